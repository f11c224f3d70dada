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
# # 4.2 · Sparse autoencoders
#
# [![Open lesson 4.2 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.1 · Superposition](41_superposition.ipynb) | **Next:** [4.3 · Features of a real model, and of a random one](43_features.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. write a sparse autoencoder and its training, and count what it finds where the truth is known;
# 2. tell dictionaries that found something from dictionaries that did not, without knowing the truth;
# 3. put one into a language model, and measure how much loss it costs, beside strong controls.
#
# **Time** one hour for the core, and 60 minutes for *Going deeper*. **Needs** lessons 00, 2.1 and 4.1: hooks, directions, superposition.
# **Runs** in about two minutes on a laptop's processor.
#
# **First, play.** 64 directions are planted in 32 dimensions. A network is trained on vectors that are each a sum of about three of them; it never sees one alone.
# The second cell below trains it, and shows how near it comes to each. Drag the slider to go through the training. Then change `LATENTS` or `K`, and run the cell again.

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
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F

from data.chat.task import texts
from utils import plots
from utils.checks import lesson_42
from utils.checks.predict import outcome, predict
from utils.circuits.figures import diagram
from utils.features import figures, planted
from utils.features import sae as saes
from utils.features.sae import SAE
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap

WORLD = planted.independent(64, 32, active=3, span=10, generator=planted.world_generator(0))
STEPS = 500

LATENTS, K = 96, 3  # change these, and run this cell again

first, film = saes.TopKSAE(32, LATENTS, k=K, aux=0), {}
vectors = planted.batches(WORLD, STEPS, number=0)


def watched(step: int) -> Tensor:
    """The vectors of a step, after a look at the dictionary."""
    if step in (0, 15, 30, 60, 120, 250, STEPS - 1):
        film[str(step)] = planted.best_cosine(WORLD.directions, first.W_dec.detach())
    return vectors(step)


planted.fit(first, watched, steps=STEPS)
title = f"Which of 64 features do {LATENTS} latents find, {K} of them active?"
figures.training_film(film, found_above=planted.RECALLED, title=title)

# %% [markdown]
# ## 1. The contest
#
# Lesson 4.1 showed that a model can keep more features than it has dimensions if few are active at a time. To find them, look for a
# long list of directions, a **dictionary**, such that each vector is a sum of a few of them. A **sparse autoencoder** (SAE) learns one.
# Its hidden units are called **latents**: that they are features of the model has yet to be shown.

# %% tags=["folded"]
# The diagram of a sparse autoencoder.
diagram(
    {
        "vector x<br>32 numbers": (0, 0),
        "pre-activations<br>96 numbers": (2.2, 0),
        "activations<br>96, few above 0": (4.6, 0),
        "reconstruction<br>32 numbers": (7, 0),
    },
    [
        ("vector x<br>32 numbers", "pre-activations<br>96 numbers", "encoder"),
        ("pre-activations<br>96 numbers", "activations<br>96, few above 0", "keep few"),
        ("activations<br>96, few above 0", "reconstruction<br>32 numbers", "decoder"),
    ],
    marked=["activations<br>96, few above 0"],
    title="A sparse autoencoder: kinds differ in how they keep few",
)

# %% [markdown]
# In a language model nobody knows the true features. So this lesson begins with a contest in a world where you do. A vector of `WORLD` is an offset plus
# its active features' directions, each times a coefficient, uniform between `0.5` and `1.5`. Three features are active on average; the commonest is
# active ten times as often as the rarest. A competitor is judged by
#
# - **found**: how many of the 64 features some latent points along, with a cosine above `0.9` (divided by 64: the **recall**);
# - **FVU**: the fraction of variance unexplained, the squared error over the squared distance from the mean;
# - **L0**: how many latents are active for a vector, on average.
#
# ## 2. Your first competitor
#
# A TopK SAE (Gao and colleagues, 2024) subtracts `b_dec` from `x`, and encodes the result with a matrix and a bias. It keeps the k largest of each vector's
# pre-activations. It decodes by adding to `b_dec` the latents' directions (the rows of `W_dec`), each times its activation.
#
# ### Exercise 1 · a TopK autoencoder (7 minutes, easy)


# %% tags=["exercise:utils.features.planted.top_k_sae"]
def top_k_sae(
    x: Float[Tensor, "n d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
    *,
    k: int,
) -> tuple[Float[Tensor, "n d_sae"], Float[Tensor, "n d_in"]]:
    """A TopK SAE's activations and its reconstruction of `x`.

    Of each vector's pre-activations the k largest are kept, those of them that are above 0; all
    others become 0.

    Source: arXiv 2406.04093.
    """
    ### BEGIN SOLUTION
    pre = (x - b_dec) @ W_enc + b_enc
    values, chosen = pre.topk(k, dim=-1)
    acts = torch.zeros_like(pre).scatter(-1, chosen, values.relu())
    return acts, acts @ W_dec + b_dec
    ### END SOLUTION


# %% tags=["check"]
top_k_sae = lesson_42.check_top_k_sae(top_k_sae)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `b_dec` appears twice: subtracted before the encoder, added after the decoder. `pre.topk(k, dim=-1)` gives values and their places.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `zeros.scatter(-1, places, values)` puts values at their places on the last axis. And if fewer than k are above 0? Cut the values with `.relu()`.
#
# </details>

# %% [markdown]
# An untrained SAE has random directions. Training makes its squared error small. After each step every latent's direction, a row of `W_dec`, is divided by
# its length. (Otherwise a kind with a penalty on the *size* of activations could shrink the activations and lengthen the directions.)
#
# The learning rate falls in the second half, so that the latents come to rest. Before step `t`:
#
# ```python
# for group in adam.param_groups:
#     group["lr"] = lr * min(1, 2 * (1 - t / steps))
# ```
#
# ### Exercise 2 · the training loop (10 minutes, medium)
#
# Write the loop around these two lines. It trains every competitor of this lesson.


# %% tags=["exercise:utils.features.planted.fit"]
def fit(
    sae, vectors: Callable[[int], Float[Tensor, "batch d_in"]], *, steps: int, lr: float = 1e-2
) -> list[float]:
    """Trains an SAE with Adam, in place; returns the loss of each step, taken before the update.

    In step t of T the learning rate is lr in the first half, and lr * 2 * (1 - t / T) in the
    second. After each step the rows of `sae.W_dec` have length 1 again.

    Args:
        sae: `sae.loss(x)` gives a pair, of which the first is the loss of a batch.
        vectors: gives the batch of step 0, 1, ..., steps - 1; each is asked for once, in order.
    """
    ### BEGIN SOLUTION
    adam = torch.optim.Adam(sae.parameters(), lr=lr)
    losses = []
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * min(1, 2 * (1 - step / steps))
        loss, _ = sae.loss(vectors(step))
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
        losses.append(loss.item())
    return losses
    ### END SOLUTION


# %% tags=["check"]
fit = lesson_42.check_fit(fit)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.optim.Adam(sae.parameters(), lr=lr)` once, before the loop. In a step: set the learning rate, ask for the vectors, compute the loss, then `zero_grad`, `backward`, `step`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Under `torch.no_grad()`, divide `sae.W_dec` in place by the length of its rows: `norm(dim=1, keepdim=True)`. Keep `loss.item()`, not `loss`.
#
# </details>

# %% [markdown]
# Your SAE is compared with three controls:
#
# - the same SAE **untrained**;
# - **PCA**: all principal components, each in both signs;
# - your training on **shuffled** vectors: each coordinate is in a random order over all vectors, so it keeps its values, and the planted directions are gone.


# %% tags=["folded"]
# Helpers: `enter` trains a competitor with your `fit` and scores it; `two_seeds` does so from two starts.
class TopK(saes.TopKSAE):
    """A TopK SAE with your function inside."""

    def encode(self, x):
        return top_k_sae(x, self.W_enc, self.b_enc, self.W_dec, self.b_dec, k=self.k)[0]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def enter(sae, *, number: int, world=WORLD, steps=STEPS, shuffled=False) -> planted.Score:
    """Trains a competitor with your loop, on vectors that `number` stands for, and scores it."""
    vectors = planted.batches(world, steps, number=number, shuffled=shuffled)
    with torch.no_grad():
        sae.b_dec.copy_(vectors(0).mean(0))
        sae.W_dec.copy_(F.normalize(sae.W_dec, dim=1))
    fit(sae, vectors, steps=steps)
    return planted.recovered(sae, world)


def top_k(k: int, seed: int, width: int = 96) -> TopK:
    return TopK(32, width, k=k, aux=0, generator=seeded(seed))


def two_seeds(make: Callable[[int], SAE], **how) -> tuple[planted.Score, planted.Score]:
    """The same recipe twice: other starts, and other vectors of the same world."""
    return enter(make(0), number=0, **how), enter(make(1), number=1, **how)


def pca(world: planted.World, number: int) -> planted.Score:
    """All 32 principal components in both signs: of each pair, one is active."""
    vectors = planted.batches(world, 100, number=number)
    directions = planted.components(torch.cat([vectors(i) for i in range(100)]))
    cosine = planted.best_cosine(world.directions, directions)
    return planted.Score(32.0, 0.0, int((cosine > planted.RECALLED).sum()), directions)


def mean_of(name: str, what: str) -> float:
    return sum(getattr(each, what) for each in board[name]) / 2


def found_by(name: str) -> float:
    return mean_of(name, "found")


def scoreboard(names=None):
    """The contest so far, means of two seeds."""
    rows = [
        (n, f"{mean_of(n, 'l0'):.1f}", f"{mean_of(n, 'fvu'):.2f}", f"{found_by(n):.0f} of 64")
        for n in names or board
    ]
    return plots.table(rows, columns=["competitor", "L0", "FVU", "found"])


# %%
board = {
    "TopK 3": two_seeds(lambda seed: top_k(3, seed)),
    "untrained": tuple(planted.recovered(top_k(3, seed), WORLD) for seed in (0, 1)),
    "PCA": (pca(WORLD, 50), pca(WORLD, 51)),  # of two sets of vectors
    "TopK 3, shuffled": two_seeds(lambda seed: top_k(3, seed), shuffled=True),
}
scoreboard()

# %% [markdown]
# Your SAE finds **56** of the 64 features, the controls none. PCA keeps all the variance and has none of the directions. So neither training nor the directions of
# most variance are enough: the vectors must have a sparse structure. This easy world shows what is possible, not what happens in a language model.


# %% tags=["numbers"]
claim("found by TopK 3", found_by("TopK 3"), text=56, within=5)
assert found_by("PCA") == found_by("untrained") == found_by("TopK 3, shuffled") == 0

# %% [markdown]
# ## 3. When k is not known
#
# You gave TopK the right k, which nobody knows in a language model.

# %%
predict(
    "42.k",
    "Train TopK with k = 12, four times as many latents as features are active. How many features does it find?",
    choices=["more than with k = 3", "about as many", "about half as many", "fewer than 10"],
)

# %%
KS = (1, 3, 5, 8, 12)
for k in KS:
    name = f"TopK {k}"
    board[name] = board.get(name) or two_seeds(lambda seed, k=k: top_k(k, seed))


found_by_k = {k: found_by(f"TopK {k}") for k in KS}
ratio = found_by_k[12] / found_by_k[3]
limits = {"fewer than 10": 0.18, "about half as many": 0.75, "about as many": 1.1}
outcome("42.k", next((name for name, top in limits.items() if ratio < top), "more than with k = 3"))
plots.lines(
    {
        "recall": [found_by_k[k] / 64 for k in KS],
        "FVU": [mean_of(f"TopK {k}", "fvu") for k in KS],
    },
    at=KS,
    title="Recall and FVU, by k",
    x="k (three features are active on average)",
    y="share",
)

# %% [markdown]
# FVU falls with every larger k. After these 500 steps recall is high from k = 1 to k = 8, and k = 12 finds about half as many features. With twelve latents for a vector in 32
# dimensions there are many ways to rebuild it, and the squared error does not single out the planted one.
#
# So the lowest FVU would choose the wrong k. (*Going deeper* compares dictionaries of the same L0.) Is there a number that needs no truth and chooses better?

# %% tags=["numbers"]
fvus = [mean_of(f"TopK {k}", "fvu") for k in KS]
assert fvus == sorted(fvus, reverse=True)
assert min(found_by(f"TopK {k}") for k in (1, 3, 5, 8)) > 45 > 40 > found_by("TopK 12")
assert mean_of("TopK 3", "fvu") / mean_of("TopK 12", "fvu") > 3

# %% [markdown]
# ## 4. A score that needs no truth
#
# Train the same recipe twice, from different random directions and on different vectors. What is in the data should come out both times, an accident of the start should
# not. Paulo and Belrose (2025) did this on language models: in one MLP of Llama 3 8B only 30% of the latents were shared by SAEs from
# different seeds. They could not know which of these were right. Here you can.

# %% [markdown]
# ### Exercise 3 · twins (9 minutes, medium)
#
# If each latent of `a` looked for its nearest in `b`, ten copies of one direction would share a twin. So pair them one to one, by
# scipy's `linear_sum_assignment(cost)` (the Hungarian algorithm): it takes a numpy matrix, [n, m], and returns row numbers and column numbers of the pairs
# whose summed cost is the *least*.


# %% tags=["exercise:utils.features.planted.twins"]
def twins(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, above: float = 0.9
) -> Bool[Tensor, " n"]:
    """For each direction of `a`, whether it has a twin in `b`.

    Directions are paired one to one, so that the sum of the pairs' cosines is as large as it can
    be. A pair above `above` are twins. Where one dictionary is larger, some have no partner.

    Source: Paulo and Belrose, 2025 (arXiv 2501.16615).

    Args:
        a, b: directions of any length.
    """
    ### BEGIN SOLUTION
    cosine = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T
    rows, columns = linear_sum_assignment(-cosine.detach().cpu().numpy())
    found = torch.zeros(len(a), dtype=torch.bool, device=a.device)
    found[rows] = cosine[rows, columns] > above
    return found
    ### END SOLUTION


# %% tags=["check"]
twins = lesson_42.check_twins(twins)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Bring the rows of both to length 1; one product gives all cosines, [n, m]. A large cosine should be a small cost.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Start from `torch.zeros(len(a), dtype=torch.bool)`. At the row numbers that come back, write whether the pair's cosine, `cosine[rows, columns]`, is above `above`.
#
# </details>

# %% [markdown]
# `.directions` holds those of living latents: **dead** ones, which fire on at most one in a thousand vectors, are left out.


# %% tags=["folded"]
# The figure: for each recipe, the twins of its two seeds against the features it found.
def n_twins(name: str) -> int:
    """How many latents of the first seed have a twin in the second."""
    return int(twins(*(each.directions for each in board[name])).sum())


def against_truth(names: Sequence[str], title: str):
    points = {name: (n_twins(name), found_by(name)) for name in names}
    alone = [  # those whose names do not hide each other; point at the others
        a
        for a in names
        if all(
            a == b or sum(map(abs, (points[a][0] - points[b][0], points[a][1] - points[b][1]))) > 9
            for b in names
        )
    ]
    return plots.scatter(
        points,
        named=alone,
        diagonal="as many",
        title=title,
        x="twins (needs no labels)",
        y="planted features found (needs the truth)",
    )


against_truth(list(board), "Does the number of twins tell good dictionaries from bad ones?")

# %% [markdown]
# After 500 steps the number of twins separates good SAEs from bad ones, and no label was needed. **PCA** is an exception: the components of two sets of vectors are nearly all twins, and none is a feature.
# It has no random start. It agrees with itself on any vectors that vary more in some directions than in others.
#
# ### The audit: does it last?
#
# A training is usually longer than this one. Train TopK 1, 3 and 12 four times as long, again from two starts.

# %%
predict(
    "42.longer",
    "After 2,000 steps: will the number of twins still tell which of TopK 1, 3 and 12 have the features?",
    choices=["yes", "no"],
)

# %%
AUDITED = [f"TopK {k}" for k in (1, 3, 12)]
for k in (1, 3, 12):
    board[f"TopK {k}, long"] = two_seeds(lambda seed, k=k: top_k(k, seed), steps=2000)


def of_twins_planted(name: str) -> int:
    """How many of the first seed's twins are planted features."""
    a, b = (each.directions for each in board[name])
    planted_ones = planted.best_cosine(a, WORLD.directions) > planted.RECALLED
    return int((twins(a, b) & planted_ones).sum())


long = {name: n_twins(f"{name}, long") for name in AUDITED}
told = max(long["TopK 1"], long["TopK 12"]) < 0.6 * long["TopK 3"]
outcome("42.longer", "yes" if told else "no")
plots.table(
    [
        (name, steps, n_twins(key), of_twins_planted(key), f"{found_by(key):.0f} of 64")
        for name in AUDITED
        for steps, key in ((500, name), (2000, f"{name}, long"))
    ],
    columns=["competitor", "steps", "twins", "of them planted", "found"],
)

# %% [markdown]
# It does not last. Trained longer, TopK 1 loses nearly all of its features. Forced to describe each vector by a single latent, its latents come to point *between* features. Yet it has as many twins as TopK 3.
# TopK 12 has many twins as well by now, and about half of them are no planted features.
#
# So twins measure whether a *recipe* comes to the same place twice. What a wrong recipe is drawn to, it is drawn to twice. In this world few twins were always a sign of
# a bad dictionary or of a short training; many twins are no proof of a good one. What could agree, and does not share the recipe? The investigation after the core asks that.

# %% tags=["numbers"]
plain = [name for name in board if "long" not in name]
good = [name for name in plain if found_by(name) > 45]
assert min(map(n_twins, good)) > max(n_twins(n) for n in plain if n not in good and n != "PCA")
assert n_twins("untrained") == 0 and n_twins("PCA") > 45 and found_by("PCA") == 0
assert found_by("TopK 1, long") < 5 < 45 < found_by("TopK 1")
assert min(long["TopK 1"], long["TopK 12"]) > 30 and long["TopK 1"] > 0.85 * long["TopK 3"]
assert 0.25 < of_twins_planted("TopK 12, long") / long["TopK 12"] < 0.7
assert of_twins_planted("TopK 3, long") > 0.9 * long["TopK 3"] and not told

# %% [markdown]
# ## 5. Into a language model
#
# The course ships a TopK SAE of SmolLM2's residual stream before block 15: 576 dimensions, 4,608 latents, k = 32, trained by `data/sae/make.py`.
# No feature is planted here. The usual score asks how much of the model's *loss* survives if the stream is replaced by the reconstruction.

# %%
model, LAYER = load(), 15
train_rows, held_out = texts("train"), texts("held_out")
print(
    f"{len(held_out)} held-out texts; the first has {len(held_out[0])} tokens, {held_out[0].dtype}"
)

# %% [markdown]
# ### Exercise 4 · splice it in (10 minutes, medium)
#
# - A row holds a text's token ids as int32, without BOS. Put BOS before it: `model.tokenizer.bos_token_id`.
# - A hook at `blocks.{layer}.hook_resid_pre` gets the stream before the block, [1, pos, d_model], and returns the changed one.
# - A **stand-in** maps a text's vectors, [pos, d_model], to others. BOS's own vector stays as it is.
# - The first token counts, since it is predicted from BOS: a text of n tokens has n losses.


# %% tags=["exercise:utils.features.sae.spliced_loss"]
@torch.no_grad()
def spliced_loss(
    model,
    rows: Sequence[Int[Tensor, " _"]],
    stand_in: Callable[[Float[Tensor, "pos d_model"]], Float[Tensor, "pos d_model"]],
    *,
    layer: int,
) -> Float[Tensor, " text"]:
    """Each text's mean loss in nats a token, with a stand-in for the stream before a block.

    Args:
        rows: token ids of each text, without BOS, which the model needs before them.
        stand_in: maps a text's vectors, BOS's aside, to others. The vector of BOS stays.
        layer: the block that reads the result.
    """
    ### BEGIN SOLUTION
    bos = torch.tensor([model.tokenizer.bos_token_id])

    def splice(resid, hook):
        changed = stand_in(resid[0, 1:]).to(resid)
        return torch.cat([resid[:, :1], changed[None]], dim=1)

    losses = []
    for row in rows:
        tokens = torch.cat([bos, row.cpu().long()])[None].to(model.cfg.device)
        with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", splice)]):
            logits = model(tokens)
        losses.append(F.cross_entropy(logits[0, :-1], tokens[0, 1:]))
    return torch.stack(losses).cpu()
    ### END SOLUTION


# %% tags=["check"]
spliced_loss = lesson_42.check_spliced_loss(spliced_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Take a text at a time: BOS and the row in one tensor of int64, with a batch axis. Run it within `model.hooks(fwd_hooks=[(name, function)])`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The hook returns `torch.cat([resid[:, :1], changed], dim=1)`, where `changed` is `stand_in(resid[0, 1:])[None]`. Logits at position p are about token p + 1: `F.cross_entropy(logits[0, :-1], tokens[0, 1:])`.
#
# </details>

# %% [markdown]
# **Loss recovered** puts the loss on a scale: 1 is that of the untouched model, and 0 that under an **ablation**, with all vectors replaced by zeros or by their mean. A
# high number needs rivals. Each also describes a vector by 32 numbers, and is made without training from 5,000 vectors of the first 40 tokens of other texts:
#
# - **PCA**: 32 components, the same for every vector;
# - **vectors, one shot**: 4,608 of these vectors, as directions from their mean. For a new vector, the 32 with the largest products, with the best weights (least squares);
# - **vectors, OMP**: the same directions. **Orthogonal matching pursuit** takes them one by one: always the one whose product with what is *still unexplained* is largest in size, then new weights for all. Weights may be negative, which an SAE's activations are not;
# - **random, OMP**: its control, with directions drawn at random;
# - **SAE's directions, OMP**: the trained directions, chosen by OMP instead of by the encoder.


# %% tags=["folded"]
# The rivals, and the loss with each (half a minute).
def matching_pursuit(x, directions, *, k: int = 32):
    """Each vector's projection on k directions, chosen greedily (least squares, step by step)."""
    left, basis = x, x.new_zeros(len(x), 0, x.shape[1])  # of those chosen, orthonormal
    for _ in range(k):
        new = directions[(left @ directions.T).abs().argmax(1)]
        new = F.normalize(new - ((basis @ new[..., None]).mT @ basis)[:, 0])
        basis = torch.cat([basis, new[:, None]], dim=1)
        left = left - (left * new).sum(1, keepdim=True) * new
    return x - left


real = saes.load_sae(root / "data" / "sae" / "smollm2", device=model.cfg.device)
order = torch.randperm(len(train_rows), generator=seeded(0)).tolist()
x_train = saes.harvest(model, [train_rows[i][:40] for i in order[:130]], layer=LAYER)
x_train = saes.without_sinks(x_train).to(model.cfg.device)
test_rows = [row[:40] for row in held_out if len(row) >= 40][:10]
mean, centre = x_train.mean(0), real.b_dec.detach()
picked = torch.randperm(len(x_train), generator=seeded(0))[: real.d_sae]
alike = torch.randn(real.d_sae, real.d_in, generator=seeded(1)).to(mean)
directions = {
    "vectors, OMP": x_train[picked] - mean,
    "random, OMP": alike,
    "SAE's directions, OMP": real.W_dec.detach(),
}


def pursuit(name: str):
    rows, middle = F.normalize(directions[name]), centre if "SAE" in name else mean
    return lambda x: middle + matching_pursuit(x - middle, rows)


stand_ins = {
    "zeros": torch.zeros_like,
    "mean": lambda x: mean.expand_as(x),
    "PCA": saes.pca(x_train, 32),
    "random, OMP": pursuit("random, OMP"),
    "vectors, one shot": saes.random_dictionary(x_train, real.d_sae, k=32, of_vectors=True),
    "vectors, OMP": pursuit("vectors, OMP"),
    "SAE": lambda x: real(x).detach(),
    "SAE's directions, OMP": pursuit("SAE's directions, OMP"),
}
errors = dict.fromkeys(stand_ins, 0.0)


def noted(name: str):
    """The stand-in, adding up its squared error on the way."""

    def stand_in(x):
        out = stand_ins[name](x)
        errors[name] += (out - x).square().sum().item()
        return out

    return stand_in


each = {name: noted(name) for name in stand_ins}
loss = saes.losses_with(model, test_rows, each, layer=LAYER, loss=spliced_loss)
x_test = saes.harvest(model, test_rows, layer=LAYER)
spread = (x_test - x_test.mean(0)).square().sum().item()
fvu = {name: error / spread for name, error in errors.items()}
cost = {name: (each - loss["clean"]).mean().item() for name, each in loss.items()}


def recovered(name: str, ablation: str) -> float:
    return saes.loss_recovered(loss[name], clean=loss["clean"], ablated=loss[ablation])


def more_than_sae(name: str) -> str:
    """How much more it costs than the SAE, in nats, with a 95% interval over texts."""
    more = loss[name] - loss["SAE"]
    return "{:+.2f} ({:+.2f} to {:+.2f})".format(more.mean().item(), *bootstrap(more))


# %%
plots.table(
    [
        (name, f"{fvu[name]:.2f}", *(f"{recovered(name, each):.2f}" for each in ("zeros", "mean")))
        + (f"{cost[name]:.2f}", "" if name == "SAE" else more_than_sae(name))
        for name in stand_ins
    ],
    columns=["instead of the stream", "FVU", "recovered, of zeros", "of mean", "cost, nats"]
    + ["more than the SAE (95% interval over texts)"],
)

# %% [markdown]
# The SAE recovers **0.99** of the loss. Now look at the rivals. (An FVU above 1 is worse than the mean of the test texts.)
#
# - **The scale flatters.** Zeros cost about **11** nats: that is worse than guessing uniformly among all tokens. So even PCA recovers about three quarters.
#   Against the mean every number falls. Nats are the plainest measure.
# - **Much of it needs no training.** With OMP even random directions recover **0.80**, and vectors of the model **0.98**, nearly as much as the SAE. One-shot selection made the same vectors look weak.
# - **Training helps where the selection is alike.** In one pass the SAE costs far less than vectors of the model do, and with OMP its directions cost less than they do.
#   Chosen by OMP, its directions also explain more of the variance than by its own encoder.

# %% tags=["numbers"]
claim("recovered by the SAE", recovered("SAE", "zeros"), text=0.99, within=0.015)
claim("zeros cost", cost["zeros"], text=11, within=0.8)
claim("recovered, random with OMP", recovered("random, OMP", "zeros"), text=0.80, within=0.04)
claim("recovered, vectors with OMP", recovered("vectors, OMP", "zeros"), text=0.98, within=0.02)
assert loss["zeros"].mean() > 10.8 and 0.65 < recovered("PCA", "zeros") < 0.85
assert fvu["zeros"] > 1 and fvu["mean"] > 1
assert all(recovered(n, "mean") < recovered(n, "zeros") for n in stand_ins if n != "zeros")
for name in ("vectors, one shot", "random, OMP", "PCA"):
    assert bootstrap(loss[name] - loss["SAE"])[0] > 0, name
assert abs(bootstrap(loss["vectors, OMP"] - loss["SAE"])[0]) < 0.12
assert cost["SAE's directions, OMP"] < cost["vectors, OMP"] < cost["vectors, one shot"]
assert fvu["SAE's directions, OMP"] < fvu["SAE"] < fvu["vectors, OMP"]
assert fvu["vectors, OMP"] < fvu["vectors, one shot"] < fvu["random, OMP"]
assert 0.55 < fvu["PCA"] < 0.68

# %% [markdown]
# None of these numbers says that a latent *means* something: section 3 showed how well a dictionary can reconstruct without the features. Lesson 4.3 looks at
# single latents. Elsewhere there are **Gemma Scope** (JumpReLU SAEs of all layers of Gemma 2), **Neuronpedia** (a site to browse
# latents) and **SAEBench** (eight more tests).
#
# **That is the core.** The sections that follow can be read in any order.
#
# ## Going deeper: an investigation of seven unknown dictionaries
#
# A colleague sends you seven dictionaries of a *new* world, but neither its features nor the number that is active. Several recipes were used, and at least one entry is
# not what it seems. The card has all that came with them: the random start, the L0, and the FVU on new vectors.

# %% tags=["folded"]
# The seven dictionaries; running this is enough. (Reading it would tell you which is which.)
NEW = planted.independent(64, 32, active=4, span=10, generator=planted.world_generator(50))
crowded = enter(a_sae := top_k(12, 21), number=21, world=NEW)
entries = {
    "P": ("21", crowded),
    "Q": ("23", enter(top_k(4, 23), number=23, world=NEW)),
    "R": ("none", pca(NEW, 28)),
    "S": ("24", enter(saes.ReLUSAE(32, 96, l1=0.5, generator=seeded(24)), number=24, world=NEW)),
    "T": ("21", enter(a_sae, number=25, world=NEW, steps=60)),
    "U": ("none", pca(NEW, 29)),
    "V": ("26", enter(top_k(4, 26), number=26, world=NEW, shuffled=True)),
}
dictionaries = {name: entry.directions for name, (_, entry) in entries.items()}
card = [
    (name, len(entry.directions), start, f"{entry.l0:.1f}", f"{entry.fvu:.2f}")
    for name, (start, entry) in entries.items()
]
plots.table(card, columns=["dictionary", "directions", "random start", "L0", "FVU on new vectors"])

# %% [markdown]
# ### Investigation · which of them found the features? (12 minutes, hard)
#
# Two of the seven have most of the world's features. Which? `dictionaries["P"]` is [latent, 32]. Use `twins` on as many pairs as you like, and think of what
# each agreement could come from. Answer with the set of their letters, such as `{"P", "V"}`.

# %% tags=["answer:finders"]
### BEGIN SOLUTION
finders = {"Q", "S"}
### END SOLUTION

# %% tags=["check"]
finders = lesson_42.check_finders(finders)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Make a table of all pairs: `[[int(twins(dictionaries[a], dictionaries[b]).sum()) for b in dictionaries] for a in dictionaries]`. Three pairs agree widely.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Which of the three agreements would there be even if the vectors held no features? The column "random start" helps: two of the pairs have a reason to agree
# that has nothing to do with features.
#
# </details>

# %%
counts = [[int(twins(dictionaries[a], dictionaries[b]).sum()) for b in entries] for a in entries]
plots.heatmap(
    torch.tensor(counts).float().fill_diagonal_(float("nan")),
    rows=list(entries),
    columns=list(entries),
    text=[[str(n) for n in row] for row in counts],
    title="How many twins does each pair have?",
    x="in dictionary",
    y="of dictionary",
).update_traces(hovertemplate="%{customdata}: %{text}<extra></extra>")

# %% [markdown]
# Three pairs stand out. R and U are PCA of two sets of vectors, a method without a random start. T was trained on from P, so that
# they share the accidents of one start. That leaves Q and S. They are of different *kinds* (TopK and ReLU), come from different starts, and have about **53**
# directions in common. The lowest FVU was no help, nor was agreement alone: **first leave out agreement that has another reason.** What is left is evidence. It is no proof: different kinds can be drawn to the same wrong directions too.

# %% tags=["numbers"]
recalls = {
    name: int((planted.best_cosine(NEW.directions, each) > planted.RECALLED).sum())
    for name, each in dictionaries.items()
}
assert (
    min(recalls["Q"], recalls["S"])
    > 45
    > 38
    > max(n for name, n in recalls.items() if name not in "QS")
)
at = {name: i for i, name in enumerate(entries)}
claim("twins of Q and S", counts[at["Q"]][at["S"]], text=53, within=6)
assert min(counts[at["R"]][at["U"]], counts[at["P"]][at["T"]]) > 40
off = [counts[at[a]][at[b]] for a, b in ("PS", "PQ", "QT", "ST", "QR", "QV", "RV", "SV")]
assert max(off) < counts[at["Q"]][at["S"]] - 8

# %% [markdown]
# ## Going deeper: a gradient for a step, and the frontier of four kinds
#
# Does the FVU choose well at least *between dictionaries with the same L0*? To see it, you need kinds that differ.
#
# - **ReLU** (2023) keeps what is positive, and has a penalty on the sum of the activations, the L1 norm. (**Gated** SAEs mend the shrinkage that this penalty causes.)
# - **TopK** (2024) keeps k for each vector; **BatchTopK** (2024) keeps the k · n largest of a batch of n, so that hard vectors get more.
# - **JumpReLU** (2024) learns a threshold for each latent. A pre-activation above its threshold passes unchanged. The penalty is on the *number* of active latents.
#
# That number has no useful gradient: if a threshold rises a little, nothing changes for nearly every vector. So take the slope of the *average*. If the threshold θ rises by a small h, the
# active vectors whose pre-activation lies between θ and θ + h become inactive. So the slope is minus the density of pre-activations at θ. In a batch, estimate that density by
# counting those within ε/2 of θ, divided by ε. This is a **straight-through estimator**: forward a step, backward another function's slope.
#
# ### Exercise 5 · a step with a slope (15 minutes, hard)
#
# Write a `torch.autograd.Function` with a `forward` and a `backward`, or find another way to this gradient. Each static method begins with `ctx`; `ctx.save_for_backward(...)` hands tensors on, and
# `backward(ctx, grad)` returns one gradient for each argument of `forward`, `None` where there is none.


# %% tags=["exercise:utils.features.sae.step"]
def step(
    pre: Float[Tensor, "batch latent"], threshold: Float[Tensor, " latent"], *, bandwidth: float
) -> Float[Tensor, "batch latent"]:
    """1 where `pre` is above its latent's threshold, 0 elsewhere, with a gradient by the threshold.

    Backward, a gradient g of the result gives the threshold -g / bandwidth wherever `pre` is
    within bandwidth / 2 of it, summed over the batch, and nothing elsewhere. `pre` gets none.

    Source: arXiv 2407.14435, with a rectangle as the kernel.
    """
    ### BEGIN SOLUTION

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx, pre, threshold):
            ctx.save_for_backward(pre, threshold)
            return (pre > threshold).to(pre)

        @staticmethod
        def backward(ctx, grad):
            pre, threshold = ctx.saved_tensors
            near = (pre - threshold).abs() < bandwidth / 2
            return None, -(grad * near / bandwidth).sum(0)

    return Step.apply(pre, threshold)
    ### END SOLUTION


# %% tags=["check"]
step = lesson_42.check_step(step)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `near = (pre - threshold).abs() < bandwidth / 2`. In `backward`, the threshold's gradient is `-(grad * near / bandwidth)`, summed over the batch. `bandwidth` is known inside the class, since that stands inside your function.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `forward(ctx, pre, threshold)` saves both and returns `(pre > threshold).to(pre)`. `backward` returns `None, ...`. The function returns `Step.apply(pre, threshold)`.
#
# </details>

# %% [markdown]
# Is the estimate right? For 100,000 Gaussian pre-activations the slope of the share above θ is known: minus the Gaussian's density.

# %%
pre = torch.randn(100_000, 1, generator=seeded(3))
rows = []
for theta in (0.0, 0.5, 1.5):
    threshold = torch.tensor([theta], requires_grad=True)
    step(pre, threshold, bandwidth=0.1).mean().backward()
    exact = -torch.distributions.Normal(0, 1).log_prob(torch.tensor(theta)).exp().item()
    rows.append((theta, f"{threshold.grad.item():.3f}", f"{exact:.3f}"))
plots.table(rows, columns=["threshold", "straight-through slope", "exact slope"])

# %%
predict(
    "42.frontier",
    "Four kinds, all with an L0 of about 12. Where does the kind with the best FVU come in features found?",
    choices=["first", "in the upper half", "in the lower half"],
)


# %%
class JumpReLU(saes.JumpReLUSAE):
    """A JumpReLU SAE with your step inside."""

    step = staticmethod(step)


def jump(l0: float, seed: int, width: int = 96):
    how = {"l0": l0, "threshold": 0.2, "bandwidth": 0.1}
    return JumpReLU(32, width, **how, generator=seeded(seed))


RECIPES = {
    "BatchTopK": (
        lambda k, seed: saes.BatchTopKSAE(32, 96, k=k, generator=seeded(seed)),
        (3, 5, 12),
    ),
    "JumpReLU": (jump, (0.1, 0.03, 0.013)),
    "ReLU": (
        lambda l1, seed: saes.ReLUSAE(32, 96, l1=l1, generator=seeded(seed)),
        (1.4, 0.7, 0.2),
    ),
}
LEVELS = (3, 5, 12)  # the settings above were chosen for about these L0s
at_level = {level: [f"TopK {level}"] for level in LEVELS}
for kind, (make, settings) in RECIPES.items():
    for setting, level in zip(settings, LEVELS, strict=True):
        name = f"{kind} {setting}"
        board[name] = two_seeds(lambda seed, make=make, setting=setting: make(setting, seed))
        at_level[level].append(name)
points = {
    kind: [
        (mean_of(name, "l0"), mean_of(name, "fvu"), found_by(name) / 64)
        for names in at_level.values()
        for name in names
        if name.split()[0] == kind
    ]
    for kind in ("TopK", *RECIPES)
}
by_fvu = sorted(at_level[12], key=lambda name: mean_of(name, "fvu"))
place = sorted(at_level[12], key=lambda name: -found_by(name)).index(by_fvu[0])
outcome(
    "42.frontier", ("first", "in the upper half", "in the lower half", "in the lower half")[place]
)
figures.frontier(
    points, band=LEVELS, title="At the same L0, does a lower FVU mean a higher recall?"
)

# %%
scoreboard([name for names in at_level.values() for name in names])

# %% [markdown]
# Compare the kinds along each dotted line. At an L0 of about 12 the order is reversed: BatchTopK and JumpReLU have the lowest FVU and find the fewest features; ReLU has the highest FVU and finds the most.
# At an L0 of about 3, ReLU's FVU is by far the highest, since
# its penalty makes activations too small. It also finds the fewest there. The other three differ in FVU and find about as much.
#
# So across kinds a lower FVU does not always mean a higher recall, even at the same L0. (All of this is after 500 steps. Longer training moves the points: change `STEPS` and see.) *Within* a kind it can show that a training is not over:

# %%
short = {steps: enter(top_k(3, 0), number=0, steps=steps) for steps in (30, 60, 150)}
short[STEPS] = board["TopK 3"][0]
plots.table(
    [(steps, f"{each.l0:.1f}", f"{each.fvu:.2f}", each.found) for steps, each in short.items()],
    columns=["TopK 3, steps", "L0", "FVU", "found"],
)

# %%
CONTROLS = ("untrained", "PCA", "TopK 3, shuffled")
everyone = [name for name in board if "long" not in name and name not in CONTROLS]
everyone += [name for names in at_level.values() for name in names if name not in everyone]
against_truth(everyone, "Do twins predict recall for all four kinds?")

# %% [markdown]
# After 500 steps twins do better than FVU. Over these **14** SAEs the number of twins has a rank correlation of about **0.95** with the number of features found. That of the FVU has the wrong sign, though L0 differs
# between them and is part of the reason. After 2,000 steps, as the core showed, wrong recipes have twins too.


# %% tags=["numbers"]
def rank(names, what):
    return spearmanr([what(name) for name in names], [found_by(name) for name in names]).statistic


for level, names in at_level.items():
    assert all(abs(mean_of(name, "l0") / level - 1) < 0.3 for name in names), level
assert {name.split()[0] for name in by_fvu[:2]} == {"BatchTopK", "JumpReLU"}
assert max(found_by(n) for n in by_fvu[:2]) < found_by("TopK 12") < found_by("ReLU 0.2")
assert by_fvu[3] == "ReLU 0.2"
claim("competitors", len(everyone), text=14, within=0)
claim("twins and found, rank correlation", rank(everyone, n_twins), text=0.95, within=0.06)
assert rank(everyone, lambda name: mean_of(name, "fvu")) > 0
assert [s.found for s in short.values()] == sorted(s.found for s in short.values())
assert [s.fvu for s in short.values()] == sorted((s.fvu for s in short.values()), reverse=True)

# %% [markdown]
# ## Going deeper: absorption, and Matryoshka
#
# The features so far were active independently. Real ones form hierarchies: *dog* implies *animal*. Plant six **parents** with four **children** each. A child never comes without its parent; in one of four
# cases the parent is alone. To write *animal* and *dog* takes two latents, to write *animal-and-dog* one. So a dictionary saves a latent if the
# parent's latent stays inactive where a child's latent already contains the parent. A latent that seems to say *animal* then says *animal, unless dog*. This is **absorption**
# (Chanin and colleagues, 2024).
#
# **Matryoshka** SAEs (Bussmann and colleagues, 2025) train nested dictionaries at once: the first 6 latents have to reconstruct as well as they can without the others; so do the first 18, and all 48. The first few
# get no help from children's latents, and so they keep what is general.
#
# ### Exercise 6 · the Matryoshka loss (8 minutes, medium)


# %% tags=["exercise:utils.features.planted.matryoshka_loss"]
def matryoshka_loss(
    x: Float[Tensor, "n d_in"],
    acts: Float[Tensor, "n d_sae"],
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
    *,
    prefixes: Sequence[int],
) -> Float[Tensor, ""]:
    """The squared error of the first m latents alone, a mean over each m in `prefixes`.

    Each error is summed over dimensions and averaged over vectors.

    Source: arXiv 2503.17547.
    """
    ### BEGIN SOLUTION
    total = 0.0
    for m in prefixes:
        x_hat = acts[:, :m] @ W_dec[:m] + b_dec
        total = total + (x_hat - x).square().sum(-1).mean()
    return total / len(prefixes)
    ### END SOLUTION


# %% tags=["check"]
matryoshka_loss = lesson_42.check_matryoshka_loss(matryoshka_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each m: the first m columns of `acts` with the first m rows of `W_dec`. Is `b_dec` part of every reconstruction?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Square, `.sum(-1)`, `.mean()` for each m; add them up as tensors, divide by `len(prefixes)`.
#
# </details>


# %%
class Matryoshka(saes.BatchTopKSAE):
    """A BatchTopK SAE with your loss."""

    def loss(self, x, **_):
        acts = self.encode(x)
        return matryoshka_loss(x, acts, self.W_dec, self.b_dec, prefixes=(6, 18, 48)), None


FAMILIES = [
    planted.families(6, 4, 32, active=1.2, generator=planted.world_generator(i)) for i in range(5)
]
KINDS = {
    "BatchTopK, k = 2": (saes.BatchTopKSAE, 2),
    "Matryoshka, k = 2": (Matryoshka, 2),
    "BatchTopK, k = 3": (saes.BatchTopKSAE, 3),
}
absorbed, lines = {}, []
for name, (kind, k) in KINDS.items():
    trained_on = [kind(32, 48, k=k, generator=seeded(i)) for i in range(5)]
    scores = [enter(s, number=i, world=FAMILIES[i]) for i, s in enumerate(trained_on)]
    fires = [planted.parent_fires(s, world) for s, world in zip(trained_on, FAMILIES, strict=True)]
    absorbed[name] = torch.tensor([(*f, s.fvu) for f, s in zip(fires, scores, strict=True)])
    each = ", ".join(f"{value:.2f}" for value in absorbed[name][:, 1])
    alone, child, f1, left = absorbed[name].mean(0).tolist()
    lines.append((name, f"{alone:.2f}", f"{child:.2f} ({each})", f"{f1:.2f}", f"{left:.3f}"))
plain, nested, roomy = (absorbed[name] for name in KINDS)
gain = nested[:, 1] - plain[:, 1]
error = gain.std() / len(gain) ** 0.5
print(f"with a child, Matryoshka less BatchTopK, k = 2: {gain.mean():+.3f} ± {error:.3f}")
print("(mean and standard error of the five worlds' differences)")
plots.table(
    lines,
    columns=["48 latents", "parent's latent fires, alone", "with a child (each of five worlds)"]
    + ["F1 as a detector of the parent", "FVU"],
)

# %% [markdown]
# Two features are active on average, so k = 2 is right. BatchTopK's latent for a parent fires on nearly all vectors with the parent alone, and on about three quarters of those with a child.
# Matryoshka mends about half of that on average, in the same worlds. Its FVU is two to three times as high.
#
# There is a rival without a new loss. With k = 3, a latent to spare, the parent's latent fires on nearly all vectors with a child too, and the FVU is lower. So here absorption comes
# from an L0 that is just enough. In a language model nobody knows which that is; absorption was found at L0s from tens to hundreds.

# %% tags=["numbers"]
assert gain.mean() > 0.07 and gain.mean() > 2 * error and plain[:, 0].mean() > 0.9
assert 0.6 < plain[:, 1].mean() < 0.87 and nested[:, 1].mean() > 0.83
assert 1.5 < nested[:, 3].mean() / plain[:, 3].mean() < 4
assert roomy[:, 1].mean() > nested[:, 1].mean() and roomy[:, 3].mean() < plain[:, 3].mean()

# %% [markdown]
# ## What you found

# %% tags=["results"]
rows = f"""
planted features found, of 64 | TopK 3: {found_by("TopK 3"):.0f} | untrained {found_by("untrained"):.0f}, shuffled {found_by("TopK 3, shuffled"):.0f}, PCA {found_by("PCA"):.0f} | SAEs find planted features (toy data, Sharkey et al.)
... with four times too many active | TopK 12: {found_by("TopK 12"):.0f}, with a lower FVU | TopK 3: {found_by("TopK 3"):.0f} | wrong L0, wrong features (toys and Gemma 2 2B, arXiv 2508.16560)
twins of two seeds, after 2,000 steps | TopK 3: {long["TopK 3"]}, planted {of_twins_planted("TopK 3, long")} | TopK 1: {long["TopK 1"]}, planted {of_twins_planted("TopK 1, long")} | 30% of latents shared (an MLP of Llama 3 8B, 131,072 latents, arXiv 2501.16615)
loss recovered of zeros (mean), layer 15 | {recovered("SAE", "zeros"):.2f} ({recovered("SAE", "mean"):.2f}) | vectors, OMP: {recovered("vectors, OMP", "zeros"):.2f} ({recovered("vectors, OMP", "mean"):.2f}), random, OMP: {recovered("random, OMP", "zeros"):.2f} ({recovered("random, OMP", "mean"):.2f}) | 
parent's latent fires with a child | Matryoshka {nested[:, 1].mean():.2f} | BatchTopK {plain[:, 1].mean():.2f} | less absorption (Gemma 2 2B, arXiv 2503.17547)
"""
plots.table(
    [row.split(" | ") for row in rows.strip().split("\n")],
    columns=["", "ours", "control", "elsewhere"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. In the investigation two dictionaries of *different kinds* agreed. What could still make two kinds agree on something false?
# 2. Only 30% of an SAE's latents had twins in Llama 3 8B. Does that mean that the others are accidents? What else could it be?
# 3. Is a latent *animal, unless dog* a bad latent? For which use?
# 4. Vectors with OMP recover nearly as much loss as the SAE. What does the SAE have that they do not?
#
# ## Common mistakes
#
# - Starting world and SAE from the same random numbers: the SAE then *starts* at the planted directions.
# - Comparing FVU between dictionaries of different L0, or recall between dictionaries of different width.
# - Calling two SAEs independent that share a start or a training.
# - Reporting loss recovered without the loss in nats, and without a rival that chooses its directions well.
#
# ## Where this breaks
#
# The planted worlds are easy: no noise, random directions, endless vectors. Settings were chosen by recall. Section 5 is one layer of one small model, on ten texts that it wrote itself.
# Nothing here says what a latent of SmolLM2 stands for.
#
# ## Further reading
#
# - Bricken et al. (2023), *Towards Monosemanticity*, Anthropic; Cunningham et al. (2023), arXiv 2309.08600: SAEs on language models
# - Gao et al. (2024), arXiv 2406.04093: TopK. Bussmann et al. (2024), arXiv 2412.06410: BatchTopK
# - Rajamanoharan et al. (2024), arXiv 2404.16014: Gated; arXiv 2407.14435: JumpReLU
# - Paulo and Belrose (2025), *Sparse Autoencoders Trained on the Same Data Learn Different Features*, arXiv 2501.16615
# - Chanin and Garriga-Alonso (2025), *Sparse but Wrong*, arXiv 2508.16560
# - Chanin et al. (2024), *A is for Absorption*, arXiv 2409.14507; Bussmann et al. (2025), arXiv 2503.17547: Matryoshka
# - Lieberum et al. (2024), *Gemma Scope*, arXiv 2408.05147; Karvonen et al. (2025), *SAEBench*, arXiv 2503.09532; [Neuronpedia](https://www.neuronpedia.org)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.1 · Superposition](41_superposition.ipynb) | **Next:** [4.3 · Features of a real model, and of a random one](43_features.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("42")
