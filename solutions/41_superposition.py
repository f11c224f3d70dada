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
# # 4.1 · Superposition
#
# [![Open lesson 4.1 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [3.3 · Shared geometry: moving a steering vector to another model](33_shared_geometry.ipynb) | **Next:** [4.2 · Sparse autoencoders](42_sparse_autoencoders.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/33_shared_geometry.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. train toy models that hold more features than they have dimensions, and say when they do and in which shapes;
# 2. explain, with an experiment, why sparsity matters although random directions are nearly orthogonal anyway;
# 3. build neurons that compute for many more features than there are neurons, and say where that ends.
#
# **Time** an hour and a half. **Needs** lessons 00 and 2.1: the residual stream, directions and cosines.
# **Runs** in about a minute and a half on a laptop's processor.

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
import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.features import figures
from utils.reading.figures import slider
from utils import plots
from utils.checks import lesson_41
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap

# %% [markdown]
# ## 1. More things than dimensions
#
# In lesson 2.1 you found a direction for a concept. SmolLM2's residual stream has 576 dimensions, so at most 576 directions can be at right angles to each other. A text can be about far more than 576 things. Where do the others go?
#
# One answer: the model lets directions overlap, and lives with the errors. That is called **superposition**. In a language model nobody knows the list of the things (the **features**), so it is hard to study there. Elhage and colleagues (2022) therefore made toys in which the features are known. You will build these toys.
#
# The world of a toy is a row of `n` numbers, the features. Each is 0, except with probability `density`; then it is drawn evenly between 0 and 1. All are independent. **Sparsity** is 1 minus density: the probability of a zero.
#
# You will train many toys at once, with different sparsities, so every tensor has a first axis [model].
#
# ### Exercise 1 · sparse features (10 minutes, easy)


# %%
def sparse_features(
    density: torch.Tensor, *, batch_size: int, n: int, generator: torch.Generator
) -> torch.Tensor:
    """Independent features, [model, batch, feature]: 0, or a number drawn evenly from 0 to 1.

    Args:
        density: [model], for each toy the probability that a feature is not 0.
        batch_size, n: how many rows for each toy, and how many features in a row.
        generator: hand it to the random functions, so that a seed gives the same numbers again.
    """
    ### BEGIN SOLUTION
    size = (len(density), batch_size, n)
    values = torch.rand(size, generator=generator)
    active = torch.rand(size, generator=generator) < density[:, None, None]
    return torch.where(active, values, torch.zeros(()))
    ### END SOLUTION


# %% tags=["check"]
sparse_features = lesson_41.check_sparse_features(sparse_features)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Draw two tensors of shape [model, batch, feature] with `torch.rand(size, generator=generator)`: one for the values, one to decide which of them stay.
#
# </details>
# <details><summary>Hint 2</summary>
#
# An even number between 0 and 1 lies below `density` with probability `density`. For the comparison, `density` needs two more axes: `density[:, None, None]`.
#
# </details>

# %% [markdown]
# ### Exercise 2 · the toy (15 minutes, medium)
#
# The toy squeezes a row `x` of `n` features into `dim` numbers, and has to give the row back. Row `i` of its matrix `W` is the direction of feature `i`: the squeezed row is the sum of the directions, each times its feature. To read feature `i` back, the toy takes the dot product with the same direction, adds a bias and applies a ReLU (negative numbers become 0).


# %%
def toy_output(
    x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, *, relu: bool = True
) -> torch.Tensor:
    """Each toy's reconstruction of its features, [model, batch, feature].

    Args:
        x: features, [model, batch, feature].
        W: directions, [model, feature, dim].
        b: biases, [model, feature].
        relu: False leaves the ReLU out.
    """
    ### BEGIN SOLUTION
    squeezed = x @ W  # [model, batch, dim]
    out = squeezed @ W.transpose(1, 2) + b[:, None]
    return out.relu() if relu else out
    ### END SOLUTION


# %% tags=["check"]
toy_output = lesson_41.check_toy_output(toy_output)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `@` multiplies the last two axes and keeps the first: [model, batch, feature] by [model, feature, dim] is [model, batch, dim]. The way back needs the last two axes of `W` exchanged.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `W.transpose(1, 2)` exchanges them. The bias [model, feature] is the same in each row of the batch: `b[:, None]`.
#
# </details>

# %% [markdown]
# ### Exercise 3 · a loss with importance (5 minutes, easy)
#
# Not all features matter alike. The loss is the squared error, times the feature's importance, *summed* over features and *averaged* over the batch. One number for each toy: the toys share nothing, so the gradient of their sum trains each on its own.


# %% tags=["exercise:utils.features.superposition.weighted_loss"]
def weighted_loss(
    out: Float[Tensor, "model batch feature"],
    x: Float[Tensor, "model batch feature"],
    importance: Float[Tensor, "model feature"],
) -> Float[Tensor, " model"]:
    """Each toy's loss: squared errors weighted by importance.

    Args:
        out: the toys' reconstructions of the features.
        x: the features.
        importance: of each feature.
    """
    ### BEGIN SOLUTION
    return ((out - x).square().mean(1) * importance).sum(-1)
    ### END SOLUTION


# %% tags=["check"]
weighted_loss = lesson_41.check_weighted_loss(weighted_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Square first, then average over the batch, which is axis 1. What is left is [model, feature].
#
# </details>
# <details><summary>Hint 2</summary>
#
# Importance multiplies the squared errors: it is not squared itself. Then `.sum(-1)`.
#
# </details>

# %% [markdown]
# ## 2. Five features, two dimensions
#
# Five features, each `0.9` times as important as the one before, go into two dimensions. There are six sparsities, with 24 toys each that differ in their random start and data. `train_toys` calls the library's versions of the three functions you just wrote.
#
# One test must hold first: with *five* dimensions there is room for all. If the toy failed there, the squeeze would explain nothing.
#
# *Predict first:* with no zeros at all, what will a toy do with its two dimensions? And when nearly everything is zero?

# %%
from utils.features.superposition import kept, loss_shares, train_toys

SPARSITY, SEEDS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.97), 24
density = (1 - torch.tensor(SPARSITY)).repeat_interleave(SEEDS)
importance = 0.9 ** torch.arange(5)
KEEP = [0, 5, 10, 20, 30, 40, 50, 60, 80, 100, 125, 150, 200, 250, 300, 400, 600, 1000, 1500]
each = importance.expand(len(density), 5)
five = train_toys(density, each, dim=2, steps=1500, batch_size=128, keep=KEEP)
roomy = train_toys(density[::SEEDS], each[::SEEDS], dim=5, steps=600)
room = loss_shares(roomy, density[::SEEDS], importance)
print("share of the loss left with five dimensions, worst toy:", f"{room.max():.4f}")


def first_toys(kept: int) -> dict:
    """The first of the 24 toys at each sparsity, after so many kept steps."""
    return {f"sparsity {s}": five.kept[kept, SEEDS * i] for i, s in enumerate(SPARSITY)}


slider(
    lambda i: figures.arrows(first_toys(i), title=f"The directions after {KEEP[i]} training steps"),
    n=len(KEEP),
    label="step",
    names=KEEP,
    at=8,
)

# %%
figures.arrows(first_toys(-1), title="Trained: from about two features, over digons, to a pentagon")

# %% [markdown]
# Drag the slider and watch them form. (The first toy of each sparsity is shown, whatever it looks like.)
#
# Without zeros a toy spends its two dimensions on a plane close to features 0 and 1, and drops most of the others. With sparsity, features come in **digons**, two features that point in opposite directions. And then come all five, as a **pentagon**. (The toy shown at `0.8` is a pentagon too. Most toys there are two digons, as you will see.)
#
# One toy is one draw of luck, so count. Call a feature *kept* if its direction is longer than `0.5`. The control is the same toy without its ReLU.

# %%
linear = train_toys(density, each, dim=2, steps=800, batch_size=128, relu=False)
kept_in, linear_in = (kept(t.W).sum(-1).view(-1, SEEDS).double() for t in (five, linear))
linear_means = linear_in.mean(1)
plots.lines(
    {"with ReLU": kept_in.mean(1), "without ReLU (control)": linear_means},
    at=SPARSITY,
    title="With a ReLU, two dimensions hold more, the sparser the data",
    x="sparsity",
    y="features kept, of five",
)

# %% [markdown]
# With five dimensions the test holds: at most **0.014** of the loss is left.
#
# With two, and without zeros, the toys keep **2.3** features on average: feature 0 always, feature 1 in **20** of the 24. From sparsity `0.3` on the number rises, and at `0.97` they keep **4.96**. Without the ReLU it stays between two and three, and is highest without zeros. That is no surprise: such a toy does what principal components do, and its squared lengths add up to the number of dimensions, **2.0**. So superposition needs two things here: sparse data, and a nonlinearity that can use it.
#
# Which shape is best, and which is a toy that got stuck? For that, 96 toys at `0.8` and at `0.9`.

# %%
MANY = 96
many_density = torch.tensor([0.2, 0.1]).repeat_interleave(MANY)
many = train_toys(
    many_density,
    importance.expand(2 * MANY, 5),
    dim=2,
    steps=1500,
    batch_size=128,
    generator=torch.Generator().manual_seed(1),
)
has = kept(many.W).view(2, MANY, 5)
number, left = has.sum(-1), loss_shares(many, many_density, importance).view(2, MANY)
shapes = {"five": number == 5}
shapes |= {f"four, without feature {i}": (number == 4) & ~has[:, :, i] for i in (4, 3, 2, 1, 0)}
plots.table(
    [
        (sparsity, name, int(it[i].sum()), f"{left[i][it[i]].mean():.3f}")
        for i, sparsity in enumerate((0.8, 0.9))
        for name, it in shapes.items()
        if it[i].any()
    ],
    columns=["sparsity", "kept", "toys", "loss left"],
)

# %% [markdown]
# At `0.9`, a share of **0.79** of the toys keeps all five (95% interval over toys **0.71** to **0.88**). Those leave **0.17** of the loss, and those with four **0.22**: stuck.
#
# At `0.8` it depends on *which* feature is dropped. Two digons without the least important feature leave **0.261**, and all five **0.279**. So two digons are the better shape there. But two digons without feature 0 or 1 leave more than all five do: such toys are stuck too.

# %% tags=["numbers"]
claim("loss left with five dimensions, worst toy", room.max(), text=0.014, within=0.005)
claim("kept without zeros", kept_in[0].mean(), text=2.3, within=0.35)
assert kept(five.W[:SEEDS])[:, 0].all(), "without zeros feature 0 is always kept"
claim("feature 1 kept without zeros", kept(five.W[:SEEDS])[:, 1].sum(), text=20, within=3)
claim("kept at sparsity 0.97", kept_in[5].mean(), text=4.96, within=0.1)
assert kept_in.mean(1)[1:].diff().min() > 0
assert linear_means.min() > 1.9 and linear_means.max() < 3.1 and linear_means.argmax() == 0
claim("squared lengths without ReLU", linear.W.square().sum((1, 2)).mean(), text=2.0, within=0.03)
keeps_five = (number[1] == 5).double()
claim("share of pentagons at 0.9", keeps_five.mean(), text=0.79, within=0.1)
claim("low", bootstrap(keeps_five)[0], text=0.71, within=0.1)
claim("high", bootstrap(keeps_five)[1], text=0.88, within=0.1)
claim("loss left at 0.9, five", left[1][number[1] == 5].mean(), text=0.17, within=0.01)
claim("loss left at 0.9, four", left[1][number[1] == 4].mean(), text=0.22, within=0.015)
assert left[1][number[1] < 5].min() > left[1][number[1] == 5].max()
without = {i: left[0][(number[0] == 4) & ~has[0, :, i]].mean() for i in range(5)}
claim("loss left at 0.8, without 4", without[4], text=0.261, within=0.008)
claim("loss left at 0.8, five", left[0][number[0] == 5].mean(), text=0.279, within=0.006)
assert min(without[0], without[1]) > left[0][number[0] == 5].mean()
assert (number[0] == 4).sum() > (number[0] == 5).sum()

# %% [markdown]
# ## 3. How much of a dimension does a feature get?
#
# You cannot draw arrows in 30 dimensions. The paper's measure works anywhere. The **dimensionality** of feature `i` with direction `W_i` is
#
# `D_i = |W_i|^2 / sum_j (u_i . W_j)^2`, where `u_i = W_i / |W_i|`,
#
# and `j` runs over all features, `i` too. Below the line stands how much all features together put on the direction of `i`. Alone, `i` has `D = 1`. Two opposite directions of one length share a dimension: 1/2 each. Five in a regular pentagon share two: 2/5 each.
#
# ### Exercise 4 · dimensionality (15 minutes, medium)


# %% tags=["exercise:utils.features.superposition.dimensionality"]
def dimensionality(W: Float[Tensor, "model feature dim"]) -> Float[Tensor, "model feature"]:
    """The share of a dimension that each feature has; 0 for a feature whose direction is 0.

    Source: Elhage et al. (2022), arXiv 2209.10652.
    """
    ### BEGIN SOLUTION
    length = W.norm(dim=-1)
    unit = W / length.clamp(min=1e-6)[..., None]
    on_it = (unit @ W.transpose(1, 2)) ** 2  # [model, feature i, feature j]
    return length**2 / on_it.sum(-1).clamp(min=1e-12)
    ### END SOLUTION


# %% tags=["check"]
dimensionality = lesson_41.check_dimensionality(dimensionality)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# All dot products `u_i . W_j` at once are a matrix product, [model, feature i, feature j]: unit directions times `W` with its last two axes exchanged.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Square them and sum over `j`, the last axis. Only `u_i` has length 1; `W_j` keeps its own. A dropped feature has length 0: `.clamp(min=...)` what you divide by.
#
# </details>

# %% [markdown]
# Now eight features of equal importance in two or three dimensions, at six sparsities, twelve toys each. *Predict first:* is `D` spread out evenly, or does it prefer some values? The control is the same toys before training.

# %%
from utils.features.superposition import share_near

DENSITY_8 = (0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
density_8 = torch.tensor(DENSITY_8).repeat_interleave(12)
eight = {
    dim: train_toys(
        density_8,
        torch.ones(len(density_8), 8),
        dim=dim,
        steps=1500,
        batch_size=128,
        generator=torch.Generator().manual_seed(dim),
        keep=[0],
    )
    for dim in (2, 3)
}


found_D = {f"{dim} dimensions": dimensionality(toys.W)[kept(toys.W)] for dim, toys in eight.items()}
found_D["untrained (control)"] = torch.cat(
    [dimensionality(toys.kept[0])[kept(toys.kept[0])] for toys in eight.values()]
)
two_D, three_D, control_D = found_D.values()
near_any = [share_near(two_D, 1 / 2, 2 / 5)]
near_any += [share_near(D, 1 / 2, 2 / 5, 3 / 8) for D in (three_D, control_D)]
EDGES = (torch.arange(19, 69) + 0.5) * 0.0125
fig = plots.lines(
    {name: (torch.histogram(D, EDGES)[0] / len(D)).tolist() for name, D in found_D.items()},
    at=((EDGES[1:] + EDGES[:-1]) / 2).tolist(),
    title="Dimensionality sits on a few fractions",
    x="dimensionality D",
    y="share of the kept features",
)
for name, place in {"3/8": 3 / 8, "2/5": 2 / 5, "1/2": 1 / 2, "2/3": 2 / 3, "3/4": 3 / 4}.items():
    fig.add_vline(x=place, line={"color": "#999", "width": 1}, annotation_text=name)
fig

# %%
all_eight = eight[3].W[kept(eight[3].W).all(-1)]
unit_eight = torch.nn.functional.normalize(all_eight, dim=-1)
sorted_cosines = (unit_eight @ unit_eight.mT).sort(-1).values[..., :-1].mean((0, 1))
print("sorted cosines of a feature, eight in three:", [f"{c:.2f}" for c in sorted_cosines.tolist()])
by_density = {}
for dim, toys in eight.items():
    D, is_kept = dimensionality(toys.W).view(6, 12, 8), kept(toys.W).view(6, 12, 8)
    in_digons = (((D - 0.5).abs() < 0.01) & is_kept).sum(-1)
    by_density[dim] = [(D[i][is_kept[i]], is_kept[i].sum(-1), in_digons[i]) for i in range(6)]


def counted(values: Tensor) -> str:
    """How often each number comes, as in "10 x 4, 2 x 5"."""
    return ", ".join(f"{int((values == v).sum())} x {v}" for v in values.unique().tolist())


plots.table(
    [
        (p, *(t for D, n, digon in each for t in (counted(n), counted(digon), f"{D.median():.2f}")))
        for p, *each in zip(DENSITY_8, *by_density.values(), strict=True)
    ],
    columns=["density"]
    + [f"{dim} dims: {what}" for dim in eight for what in ("kept", "in digons", "median D")],
)

# %% [markdown]
# (Read `11 x 4` as "eleven toys, four features each".) `D` does prefer some values, and density decides which.
#
# In two dimensions, at densities from `0.5` to `0.3`, **30** of 36 toys are two digons: four features with `D` within `0.01` of 1/2. At `0.1` and `0.05` no toy has a digon; all keep five, as a pentagon. In three dimensions **28** of 36 are three digons at the high densities. At the two lowest, **23** of 24 toys keep all eight.
#
# A warning: if `k` features of equal length share `dim` dimensions fairly, `D` is `dim / k` for each. So 2/5 says little more than "five in two". The digon says more: 1/2 turns up in two *and* in three dimensions, as separate pairs that do not disturb each other. The sparse toys are not made of such pieces: the pentagon is one piece. And the small bump near 3/8 in two dimensions is bent pentagons.
#
# Is the eight in three dimensions a cube? In a cube, opposite corners have a cosine of -1. The line above the table sorts the cosines of a feature with the seven others, averaged over features and toys.
#
# Two far ones at **-0.79**, one at **-0.42**, and four near ones between **0.20** and **0.30**, in two pairs: a cube with one face turned, a *square antiprism*. (A cube would have one at -1, three at -1/3, three at 1/3.) The paper reports it too.
#
# Which shapes appear, then? Digons, pentagons and antiprisms do. The paper also shows triangles (2/3) and tetrahedra (3/4), from a toy with 400 features in 30 dimensions. We did **not** find these two in ours: shares below `0.01`.
#
# Near a fraction by chance? Within `0.01` of 1/2 or 2/5 lie **0.82** of the kept features in two dimensions; of 1/2, 2/5 or 3/8, **0.93** in three. Untrained: **0.09** of all of them lie near one of the three.

# %% tags=["numbers"]
two_digons = sum((digon == 4).sum() for _, _, digon in by_density[2][:3])
claim("two digons at density 0.5 to 0.3", two_digons, text=30, within=3)
assert all((n == 5).all() and (digon == 0).all() for _, n, digon in by_density[2][4:])
three_digons = sum((digon == 6).sum() for _, _, digon in by_density[3][:3])
claim("three digons at density 0.5 to 0.3", three_digons, text=28, within=4)
eights = sum((n == 8).sum() for _, n, _ in by_density[3][4:])
claim("all eight kept at density 0.1 and 0.05", eights, text=23, within=1)
claim("far cosines", sorted_cosines[:2].mean(), text=-0.79, within=0.02)
assert sorted_cosines[1] - sorted_cosines[0] < 0.05
claim("third cosine", sorted_cosines[2], text=-0.42, within=0.04)
claim("fourth", sorted_cosines[3], text=0.20, within=0.03)
claim("last", sorted_cosines[6], text=0.30, within=0.03)
claim("two dimensions, near a fraction", near_any[0], text=0.82, within=0.06)
claim("three dimensions, near a fraction", near_any[1], text=0.93, within=0.05)
claim("untrained, near a fraction", near_any[2], text=0.09, within=0.03)
for fraction in (2 / 3, 3 / 4):
    assert max(share_near(D, fraction) for D in (two_D, three_D)) < 0.01

# %% [markdown]
# ## 4. A map of phases
#
# Make it as small as it gets: **two features, one dimension**. Feature 0 has importance 1, feature 1 has importance `I`. There are three things to do with one dimension: keep feature 0, keep feature 1, or keep both as opposites, `W = [1, -1]` and `b = 0`. Which one is best can be worked out on paper.
#
# Write `p` for the density. Three facts:
#
# - A dropped feature is best answered by its mean, and its squared error is then its *variance*: the mean of its square, less the square of its mean. You work it out; remember the zeros. (The mean of the square of an even number between 0 and 1 is `1/3`.)
# - With `W = [1, -1]` the toy answers `ReLU(x_0 - x_1)` and `ReLU(x_1 - x_0)`. Where one feature is 0, both answers are right.
# - Where both are active, each answer is off by exactly the smaller of the two; the mean of its square is `1/6`.
#
# ### Exercise 5 · three losses (15 minutes, medium)


# %% tags=["exercise:utils.features.superposition.two_in_one_losses"]
def two_in_one_losses(
    density: Float[Tensor, " setting"], importance: Float[Tensor, " setting"]
) -> Float[Tensor, "setting choice=3"]:
    """Losses of three ways to put two features into one dimension.

    The choices: keep only feature 0, keep only feature 1 (what is left out is answered by its
    mean), or both as opposites, W = [1, -1] and b = 0.

    Args:
        density: the probability that a feature is not 0.
        importance: of feature 1; feature 0 has importance 1.
    """
    ### BEGIN SOLUTION
    variance = density / 3 - density**2 / 4
    both = density**2 * (1 + importance) / 6
    return torch.stack([importance * variance, variance, both], dim=-1)
    ### END SOLUTION


# %% tags=["check"]
two_in_one_losses = lesson_41.check_two_in_one_losses(two_in_one_losses)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Whoever keeps only feature 0 pays for feature 1: its variance times its importance. With the zeros, the mean of a feature is `p / 2`; what is the mean of its square? And how probable is it that both features are active?
#
# </details>
# <details><summary>Hint 2</summary>
#
# The variance is `p / 3 - (p / 2) ** 2`. Both are active with probability `p * p`. Then feature 0 costs `1/6` and feature 1 costs `I / 6`. `torch.stack([...], dim=-1)` puts the three side by side.
#
# </details>

# %% [markdown]
# Opposites cost `p^2 (1 + I) / 6`, and dropping feature 1 costs `I (p/3 - p^2/4)`. The first falls with the *square* of `p`: two rare things seldom meet. So opposites win when `p` is below `2I / (1 + 2.5 I)` (for `I` up to 1). There is a border, and no gradual change.
#
# Now train: 9 densities by 11 importances, six toys each. The losses are exact (a sum over who is active and a fine grid of values): sampled ones are too noisy where both are active once in a thousand rows. For each setting we show the toy with the lowest loss of the six, and then ask how often a *single* toy gets there. A cross marks a setting in which the two maps differ.

# %%
from utils.features.superposition import exact_pair_loss

PAIR_DENSITY, PAIR_IMPORTANCE, RUNS = torch.logspace(0, -1.7, 9), torch.logspace(-1, 1, 11), 6
grid = torch.meshgrid(PAIR_DENSITY, PAIR_IMPORTANCE, indexing="ij")
grid_density, grid_importance = (axis.flatten() for axis in grid)
pair_density = grid_density.repeat(RUNS)
pair_importance = torch.stack([torch.ones(len(pair_density)), grid_importance.repeat(RUNS)], -1)
pairs = train_toys(pair_density, pair_importance, dim=1, steps=1000, batch_size=128, keep=[0])
# What a toy keeps (longer than 0.5): 0, 1, both as opposites (2), or both on the same side (3).
w = pairs.W[..., 0]
one = (w[:, 1].abs() > w[:, 0].abs()).long()  # the longer of the two
both = torch.where(w.prod(-1) > 0, 3, 2)
kinds = torch.where(kept(pairs.W).all(-1), both, one).view(RUNS, -1)
pair_loss = exact_pair_loss(pairs.W, pairs.b, pair_density, pair_importance).view(RUNS, -1)
best_kind = kinds.gather(0, pair_loss.argmin(0)[None])[0]
paper = two_in_one_losses(grid_density, grid_importance)
on_paper = paper.argmin(-1)
agrees, differ = (kinds == on_paper).double(), best_kind != on_paper
figures.phases(
    {"on paper": on_paper.view(9, 11), "trained, best of six": best_kind.view(9, 11)},
    kinds=("only 0", "only 1", "opposites", "same side"),
    rows=[f"{p:.2g}" for p in PAIR_DENSITY.tolist()],
    columns=[f"{i:.2g}" for i in PAIR_IMPORTANCE.tolist()],
    title="Opposites win where features are rare and matter alike",
    x="importance of feature 1",
    y="density",
)

# %% [markdown]
# The two maps agree in a share of **0.96** of the settings. (Always saying "opposites" would agree in **0.68**.) Where they differ, the best toy costs *less* than the best choice on paper, since it may choose lengths and biases freely. There is one exception, where all six failed: with density `0.09` and importance `0.4` none of the six became opposites, and the best of them costs **6.1** times as much.
#
# How can six toys fail together? A *single* toy agrees with the paper map in **0.68** of the cases, no more often than that simple rule: **0.60** where opposites are best, and **0.85** elsewhere. Look at where a toy starts. In one dimension, two directions that start on the *same* side can only become opposites if one of them passes through zero. Where opposites are best, **0.97** of those that start on opposite sides end as opposites, and **0.21** of those that start on the same side. That is a fact about training, not about which solution is good. It is why you look at several seeds.
#
# No control without a ReLU this time. You know beforehand what it would do: one dimension, one principal component, and no third phase.

# %% tags=["numbers"]
opposites = (kinds == 2).double()
same_start = (pairs.kept[0][..., 0].prod(-1) > 0).view(RUNS, -1)
should_oppose = (on_paper == 2).expand(RUNS, -1)
from_opposite = opposites[should_oppose & ~same_start].mean()
from_same = opposites[should_oppose & same_start].mean()
price = pair_loss.min(0).values / paper.min(-1).values
claim("best of six agrees", 1 - differ.double().mean(), text=0.96, within=0.04)
claim("always opposites", (on_paper == 2).double().mean(), text=0.68, within=0.005)
failed = differ & (price > 1.1)
assert failed.sum() == 1 and (kinds[:, failed] != 2).all() and on_paper[failed] == 2
assert (price[differ & ~failed] < 1).all()
claim("price of the failure", price.max(), text=6.1, within=0.2)
claim("where opposites are best", agrees[:, on_paper == 2].mean(), text=0.60, within=0.05)
claim("elsewhere", agrees[:, on_paper != 2].mean(), text=0.85, within=0.06)
claim("one toy agrees", agrees.mean(), text=0.68, within=0.05)
claim("opposites from opposite sides", from_opposite, text=0.97, within=0.04)
claim("opposites from the same side", from_same, text=0.21, within=0.12)

# %% [markdown]
# ## 5. Why does sparsity matter, if directions are nearly orthogonal anyway?
#
# Here is an objection. In 512 dimensions two random directions have a cosine near 0. You can have *thousands* of directions that are nearly orthogonal, no training needed. So why should features have to be sparse? Let each have its direction, add them up, and read each off by a dot product. The interference is tiny.
#
# *Predict first:* 8,192 random directions in 512 dimensions. How many may be active at once before the reading fails: 300? 100? 10?
#
# ### Exercise 6 · add up and read out (5 minutes, easy)


# %% tags=["exercise:utils.features.superposition.read_out"]
def read_out(
    directions: Float[Tensor, "feature dim"], active: Int[Tensor, "draw k"]
) -> Float[Tensor, "draw feature"]:
    """What each feature reads when the directions of the active ones are added up.

    Args:
        directions: of all features.
        active: the numbers of the k active features of each draw; each has the value 1.
    """
    ### BEGIN SOLUTION
    total = directions[active].sum(1)  # [draw, dim]
    return total @ directions.T
    ### END SOLUTION


# %% tags=["check"]
read_out = lesson_41.check_read_out(read_out)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Indexing with a table of numbers gives a table of rows: `directions[active]` is [draw, k, dim].
#
# </details>
# <details><summary>Hint 2</summary>
#
# Sum over the k active ones, axis 1. Then one matrix product takes the dot product with *every* direction, active or not.
#
# </details>

# %% [markdown]
# Two ways to count errors. With a threshold of 1/2, an inactive feature that reads more is a **false alarm**. Or someone tells you `k`, and you name the `k` features that read highest: which share of them is right?

# %%
from utils.features.superposition import pursuit, random_units, reading

N_FEATURES, DIMS = 8192, (128, 256, 512)
KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
generator = torch.Generator().manual_seed(0)

units = {dim: random_units(N_FEATURES, dim, generator=generator) for dim in DIMS}
reads = {
    dim: {k: reading(units[dim], k, draws=64, generator=generator) for k in KS} for dim in DIMS
}
fig = plots.lines(
    {f"{dim} dimensions": [reads[dim][k]["right"].mean() for k in KS] for dim in DIMS},
    at=KS,
    title="8,192 random directions: a few can be active at once, not hundreds",
    x="features active at once, k",
    y="share right of the k highest",
)
fig.update_xaxes(type="log", tickvals=KS)

# %%
cosines_512 = (units[512][:1000] @ units[512][:1000].T)[tuple(torch.triu_indices(1000, 1000, 1))]
found_64, found_128 = (
    pursuit(units[512], k, draws=8, generator=generator).mean() for k in (64, 128)
)
more_units = random_units(4 * N_FEATURES, 512, generator=generator)
more = reading(more_units, 16, draws=64, generator=generator)
plots.table(
    [
        (
            k,
            f"{reads[512][k]['noise']:.3f}",
            f"{(k / 512) ** 0.5:.3f}",
            f"{reads[512][k]['false alarms'].mean():.1f}",
        )
        for k in KS
    ],
    columns=["k, in 512 dimensions", "noise", "in theory", "false alarms"],
)

# %% [markdown]
# The objection is right about pairs: the median cosine is **0.030** in size, and the largest of half a million pairs **0.20**. It is wrong about *sums*. Each of the `k` active features adds a small random number to every reading, and `k` of them add up to noise of `sqrt(k / m)` in `m` dimensions. The table shows it, to within a few percent.
#
# Against a signal of 1 that is soon too much, since there are thousands of inactive features, and one of them will be unlucky. With 8 active, **0.38** false alarms a draw (interval **0.23** to **0.52**). With 16, **18**: more than there are true ones. If you are told `k`, you get **0.978** right with 16, and **0.56** with 64.
#
# The number of features *in store* matters little: with four times as many, 32,768, and 16 active, **0.96** are right. What is scarce is how many are **active at once**. If each of `n` features has density `p`, that number is about `k = p n`: with more features in store, each has to be rarer. "Nearly orthogonal" buys you the store, and sparsity pays for the reading.
#
# That is true of *this* reader, one dot product for each feature. A cleverer one, which takes away what it has found before it reads on (*matching pursuit*), gets further. With 64 active it finds **0.98**, and with 128 it fails too: **0.26**.

# %% tags=["numbers"]
at_512 = reads[512]
claim("median size of a cosine", cosines_512.abs().median(), text=0.030, within=0.001)
claim("largest cosine", cosines_512.abs().max(), text=0.20, within=0.03)
assert all(abs(at_512[k]["noise"] / (k / 512) ** 0.5 - 1) < 0.05 for k in KS)
claim("false alarms, k = 8", at_512[8]["false alarms"].mean(), text=0.38, within=0.2)
claim("low", bootstrap(at_512[8]["false alarms"])[0], text=0.23, within=0.15)
claim("high", bootstrap(at_512[8]["false alarms"])[1], text=0.52, within=0.25)
claim("false alarms, k = 16", at_512[16]["false alarms"].mean(), text=18, within=2)
claim("right, k = 16", at_512[16]["right"].mean(), text=0.978, within=0.015)
claim("right, k = 64", at_512[64]["right"].mean(), text=0.56, within=0.02)
claim("matching pursuit, k = 64", found_64, text=0.98, within=0.04)
claim("matching pursuit, k = 128", found_128, text=0.26, within=0.06)
claim("right, k = 16 of 32,768", more["right"].mean(), text=0.96, within=0.02)

# %% [markdown]
# ### Would better directions help?
#
# Random directions are not the best ones. There is a bound: for `n` unit vectors in `m` dimensions, the mean squared cosine of a pair is at least `(n - m) / (m (n - 1))` (Welch, 1974). Random ones have `1 / m`. For `n` far above `m` the two are nearly the same! So no training can take away much of the noise. What else can it do?
#
# Keep the directions *fixed*, and change nothing but the density: 100 features in 10 dimensions, three sets of directions, the same three at every density. Four readers, fitted at each density with equally many steps:
#
# - **linear, random directions**: only one common length and one common bias are fitted;
# - **ReLU, random directions**: the same two numbers, and a ReLU after them;
# - **ReLU, trained**: the full toy, directions and all;
# - **linear, trained**: the toy without its ReLU.
#
# The measure is the squared error as a share of the feature's variance. *Predict first:* which of the four lines fall as features get rarer?

# %%
from utils.features.superposition import fit_scale_and_bias, fresh_errors
from utils.features.superposition import pair_cosines

READ_DENSITY, N_READ, DIM_READ, REPEATS = (0.3, 0.1, 0.03, 0.005), 100, 10, 3
read_density = torch.tensor(READ_DENSITY).repeat_interleave(REPEATS)
fixed = random_units(REPEATS, N_READ, DIM_READ, generator=generator).repeat(len(READ_DENSITY), 1, 1)
equal = torch.ones(len(read_density), N_READ)


def fitting() -> dict:
    """Equally many steps and the same random numbers for all readers."""
    return {"steps": 1500, "generator": torch.Generator().manual_seed(1)}


readers = {
    "linear, random directions": fit_scale_and_bias(fixed, read_density, relu=False, **fitting()),
    "ReLU, random directions": fit_scale_and_bias(fixed, read_density, **fitting()),
    "linear, trained": train_toys(read_density, equal, dim=DIM_READ, relu=False, **fitting()),
    "ReLU, trained": train_toys(read_density, equal, dim=DIM_READ, **fitting()),
}
errors = {
    name: fresh_errors(toys, read_density, relu="ReLU" in name).view(-1, REPEATS)
    for name, toys in readers.items()
}
first, last = [{name: values.mean(1)[i] for name, values in errors.items()} for i in (0, -1)]
fig = plots.lines(
    {name: values.mean(1).tolist() for name, values in errors.items()},
    at=READ_DENSITY,
    title="Sparsity helps those who have a ReLU",
    x="density (rarer to the left)",
    y="squared error / variance",
)
fig.add_hline(
    y=1 - DIM_READ / N_READ,
    line={"color": "#888", "width": 1.5},
    annotation_text="best linear: 1 - m/n",
    annotation_position="bottom left",
)
fig.update_xaxes(type="log", tickvals=READ_DENSITY)

# %% [markdown]
# (The three sets agree to within `0.06` everywhere.) The linear readers do not care about sparsity, and that is a theorem, not a finding: for independent, equal features the best linear reader leaves `1 - m/n = 0.9` of the variance at *every* density. Measured: **0.90** at both ends. Rarer features make less noise, but they are also less to be read: both shrink alike. Sparsity makes interference *rarer*. It does not make it smaller, as a share of what there is to know.
#
# A ReLU can use that. With the very same random directions, one length and one bias, the error goes from **0.92** down to **0.55**. With trained directions it goes from **0.84** to **0.33**. How? Most readings of an inactive feature are small. A bias below zero and a ReLU turn them into an exact 0. And the active one gets through, since it is mostly alone: at density `0.005` half a feature is active in a row, on average, and **0.61** of the rows are empty. That is what the toys learn: their mean bias goes from above zero to **-0.60**.
#
# Why are trained directions so much better? They cannot be much closer to orthogonal: the mean squared cosine is **0.102** for random ones, **0.0912** for those trained at the lowest density, and the bound is `0.0909`. The full toy also has a length and a bias for *each* feature. Is it that? Take the directions from one, and the number of lengths and biases from the other. *Predict first.*

# %%
rare, rarest = read_density[-REPEATS:], slice(-REPEATS, None)
trained_units = torch.nn.functional.normalize(readers["ReLU, trained"].W[rarest], dim=-1)
directions = {"random": fixed[rarest], "trained": trained_units}
parts = {
    (name, own): fresh_errors(fit_scale_and_bias(units, rare, own=own, **fitting()), rare).mean()
    for name, units in directions.items()
    for own in (False, True)
}
strong = {  # shares of the pairs of directions
    name: [(sign * pair_cosines(units) > 0.5).double().mean() for sign in (1, -1)]
    for name, units in directions.items()
}
plots.table(
    [
        (name, *(f"{v:.3f}" for v in (parts[name, False], parts[name, True], *strong[name])))
        for name in directions
    ],
    columns=[
        "error at density 0.005 with directions",
        "one length, one bias",
        "one for each feature",
    ]
    + ["pairs with cosine above 0.5", "below -0.5"],
)

# %% [markdown]
# It is the directions. With random directions, a length and a bias for each feature take the error from **0.56** to **0.54**. Trained directions with *one* length and *one* bias leave **0.35**, nearly as little as the full toy.
#
# And look at which cosines training removed. Of random pairs, a share of **0.060** has a cosine above `0.5`, and of trained pairs **0.004**. Below `-0.5` it is **0.063** and **0.049**. A negative overlap pushes an inactive feature below zero, where the ReLU makes it 0 at no cost. A positive one makes a false alarm. So training takes away the strong positive overlaps, and leaves most of the negative ones. A digon is the smallest case of that.
# %% tags=["numbers"]
claim("linear, trained, dense", first["linear, trained"], text=0.90, within=0.01)
claim("linear, trained, sparse", last["linear, trained"], text=0.90, within=0.015)
assert all((errors[name] - 0.9).abs().max() < 0.05 for name in errors if "linear" in name)
claim("ReLU, random, dense", first["ReLU, random directions"], text=0.92, within=0.015)
claim("ReLU, random, sparse", last["ReLU, random directions"], text=0.55, within=0.03)
claim("ReLU, trained, dense", first["ReLU, trained"], text=0.84, within=0.02)
claim("ReLU, trained, sparse", last["ReLU, trained"], text=0.33, within=0.03)
assert all((values.amax(1) - values.amin(1)).max() < 0.06 for values in errors.values())
claim("empty rows", (1 - rare[0]) ** N_READ, text=0.61, within=0.005)
bias_trained = readers["ReLU, trained"].b.mean(-1).view(-1, REPEATS).mean(1)
assert bias_trained[0] > 0.05
claim("mean bias, sparse", bias_trained[-1], text=-0.60, within=0.06)
cosine_random, cosine_trained = (pair_cosines(u).square().mean() for u in directions.values())
claim("mean squared cosine, random", cosine_random, text=0.102, within=0.002)
claim("mean squared cosine, trained", cosine_trained, text=0.0912, within=0.0006)
assert (N_READ - DIM_READ) / (DIM_READ * (N_READ - 1)) < cosine_trained < cosine_random
claim("random directions, one length", parts["random", False], text=0.56, within=0.03)
claim("random directions, own lengths", parts["random", True], text=0.54, within=0.03)
assert parts["trained", False] - last["ReLU, trained"] < 0.04
claim("trained directions, one length", parts["trained", False], text=0.35, within=0.03)
claim("random pairs above 0.5", strong["random"][0], text=0.060, within=0.006)
claim("trained pairs above 0.5", strong["trained"][0], text=0.004, within=0.003)
claim("random pairs below -0.5", strong["random"][1], text=0.063, within=0.006)
claim("trained pairs below -0.5", strong["trained"][1], text=0.049, within=0.006)

# %% [markdown]
# ## 6. Computing in superposition
#
# So far features were *stored*. Can neurons also *compute* for more features than there are neurons? The paper's example is the absolute value |x| of features that are positive or negative. One ReLU sees only one sign, so |x| takes two neurons: `|x| = ReLU(x) + ReLU(-x)`. Without sharing, 500 neurons do it for 250 features.
#
# Here is a way to share, with no training at all. Each of 1,000 features is wired to 25 of 500 neurons, chosen at random, with random signs. So about half of its neurons answer to `x > 0`, and the other half to `x < 0`. Whatever the sign, about half of the 25 neurons answer with |x|: twice their mean is |x|. Every neuron serves about 50 features. (This is in the spirit of constructions by Hänni and colleagues, 2024.)
#
# ### Exercise 7 · shared neurons (10 minutes, easy)


# %% tags=["exercise:utils.features.superposition.shared_abs"]
def shared_abs(
    x: Float[Tensor, "row feature"], wiring: Float[Tensor, "feature neuron"]
) -> Float[Tensor, "row feature"]:
    """An estimate of |x|, from ReLU neurons that features share.

    A neuron is the ReLU of the sum of its features, each times its sign. A feature is read as twice
    the mean of the neurons that it is wired to: half of them see it with the sign that passes.

    Args:
        wiring: +1 or -1, or 0 where a neuron does not see a feature. Every feature has a neuron.
    """
    ### BEGIN SOLUTION
    neurons = (x @ wiring).relu()  # [row, neuron]
    wired = wiring.abs()  # 1 where a feature has a neuron
    return 2 * neurons @ (wired / wired.sum(1, keepdim=True)).T
    ### END SOLUTION


# %% tags=["check"]
shared_abs = lesson_41.check_shared_abs(shared_abs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The neurons are `x @ wiring`, and then a ReLU. To read a feature, you need the sum of *its* neurons, without the signs.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `neurons @ wiring.abs().T` is that sum, [row, feature]. Divide by how many neurons each feature has, and double.
#
# </details>

# %% [markdown]
# Features are -1, 0 or 1, and `k` of 1,000 are active. Again, name the `k` features that read highest. Three rivals:
#
# - **no ReLU**: the same wiring, and a reading that uses the signs. It must come out near one half, since -1 then reads as low as +1 reads high. It shows that *some* nonlinearity is needed, and no more;
# - **no ReLU, |.| at the output**: store linearly, and take the absolute value of each reading. It has 1,000 nonlinearities *after* the squeeze;
# - **no sharing**: 250 features have two neurons each and are always right; for the others it guesses.
#
# Naming the highest tells *who* is active. Is the reading also an estimate of |x|? The table after the figure gives its squared error, as a share of the variance of |x|, after the best scale and offset.

# %%
from utils.features.superposition import line_error, random_wiring, train_abs

N_ABS, NEURONS, EACH = 1000, 500, 25
ABS_KS = (1, 2, 4, 8, 16, 32, 64)
wiring = random_wiring(N_ABS, NEURONS, each=EACH, generator=generator)

found_abs = {"shared, with ReLU": [], "no ReLU": [], "no ReLU, |.| after": [], "not shared": []}
amounts = {}
for k in ABS_KS:
    # k random features of each row are +1 or -1
    x = random_wiring(200, N_ABS, each=k, generator=generator)
    own = x.abs() * (torch.arange(N_ABS) < NEURONS // 2)
    guess = own + 0.001 * torch.rand(own.shape, generator=generator)  # ties are broken at random
    estimate, signed = shared_abs(x, wiring), x @ wiring @ wiring.T
    rivals = (estimate, signed, signed.abs(), guess)
    for name, reads_k in zip(found_abs, rivals, strict=True):
        found_abs[name].append(x.abs().gather(1, reads_k.topk(k).indices).mean(1))  # share right
    amounts[k] = [line_error(r, x.abs()) for r in (estimate, signed, own)]
    amounts[k].append(line_error(estimate, x.abs(), gate=True))
by_k = {name: dict(zip(ABS_KS, rows, strict=True)) for name, rows in found_abs.items()}
shared, no_relu, abs_after, not_shared = by_k.values()
fig = plots.lines(
    {name: [values.mean() for values in rows] for name, rows in found_abs.items()},
    at=ABS_KS,
    title="500 neurons tell which of 1,000 features are active, + or -, while few are",
    x="features active at once, k",
    y="share right of the k highest",
)
fig.update_xaxes(type="log", tickvals=ABS_KS)

# %%
plots.table(
    [(k, *(f"{error:.2f}" for error in amounts[k])) for k in (1, 4, 8, 16)],
    columns=["k; error left", "shared", "no ReLU", "not shared", "shared, then a threshold ReLU"],
)

# %% [markdown]
# Someone had to *build* this circuit. Does training find one? Here is the paper's toy in small: 20 features, 10 hidden neurons, `ReLU(W2 ReLU(W1 x) + b)`, trained to give |x|. With two neurons for a feature, 5 of 20 features can be computed, and 3/4 of the error is left. *Predict first:* trained at low density, will the toy leave less than 3/4? And if it does, is that computing in superposition? The control is the same net *without* the hidden ReLU.

# %%
abs_density = torch.tensor([1.0, 0.03]).repeat_interleave(3)
abs_errors = {
    relu: train_abs(abs_density, n=20, neurons=10, steps=2000, relu=relu).view(2, 3, 20)
    for relu in (True, False)
}
sparse_abs = {relu: values[1].mean() for relu, values in abs_errors.items()}
plots.table(
    [
        (
            f"density {name}, {'hidden ReLU' if relu else 'no hidden ReLU (control)'}",
            ", ".join(f"{e:.2f}" for e in abs_errors[relu][i].mean(-1).tolist()),
            ", ".join(str(int(c)) for c in (abs_errors[relu][i] < 0.25).sum(-1)),
        )
        for i, name in enumerate(("1", "0.03"))
        for relu in (True, False)
    ],
    columns=["three toys each", "error left (share of variance)", "features with under 1/4 left"],
)

# %% [markdown]
# First the circuit that was built. With 4 active, the shared neurons get a share of **0.95** right (interval **0.94** to **0.97**), for 1,000 features, where two neurons each would serve 250. It ends as storage did: with 8 active **0.72**, with 16 **0.40**, and with 32 **0.20**, below the **0.27** of no sharing. When data are dense, sharing is worse than doing a few features well.
#
# But the rival with |.| at the output does better throughout: **1.0** with 8 active, and **0.86** with 32. So the hidden ReLUs are needed only if whatever reads the layer is *linear*, as the next layer's weights are. And as an amount of |x| the linear reading is poor: with 4 active it leaves **0.84** of the variance, more than no sharing (`0.75`). It takes another nonlinearity, a threshold, to bring that down to **0.21**. Naming the highest is such a nonlinearity too. So: read linearly, 500 ReLUs rank active features above inactive ones whatever their sign, for 1,000 features, which no linear map can. They do not hand over 1,000 clean values.
#
# Now the trained net. At low density it leaves **0.65** of the error, well below 3/4. It looks like superposition. But the control leaves **0.60**, and it has *no* hidden ReLU! What does most of the work is the ReLU at the *output*: it gives `ReLU(x)`, the positive half of |x|, for many features that share the hidden layer linearly. That is storage, as in section 5. The hidden ReLU does do something: with it a few features, never more than five, fall below 1/4 of their error, and without it none. But five is what ten neurons can do without sharing.
#
# At density 1 the hidden ReLU does matter: **0.78** against **1.0** for the control. So in small and in seconds, we did **not** see training find computation in superposition. That is three toys at each density, of one size, with one learning rate and 2,000 steps. The paper reports it for larger nets, with training that we did not repeat.

# %% tags=["numbers"]
claim("shared, k = 4", shared[4].mean(), text=0.95, within=0.02)
claim("low", bootstrap(shared[4])[0], text=0.94, within=0.02)
claim("high", bootstrap(shared[4])[1], text=0.97, within=0.02)
assert all(0.4 < no_relu[k].mean() < 0.62 for k in ABS_KS)
claim("shared, k = 8", shared[8].mean(), text=0.72, within=0.04)
claim("shared, k = 16", shared[16].mean(), text=0.40, within=0.04)
claim("shared, k = 32", shared[32].mean(), text=0.20, within=0.03)
claim("not shared, k = 32", not_shared[32].mean(), text=0.27, within=0.03)
assert shared[32].mean() < not_shared[32].mean()
assert all(abs_after[k].mean() >= shared[k].mean() for k in ABS_KS)
claim("|.| after, k = 8", abs_after[8].mean(), text=1.0, within=0.01)
claim("|.| after, k = 32", abs_after[32].mean(), text=0.86, within=0.03)
claim("amount, linear reading, k = 4", amounts[4][0], text=0.84, within=0.03)
claim("amount, after a threshold, k = 4", amounts[4][3], text=0.21, within=0.05)
assert amounts[4][0] > amounts[4][2] and abs(amounts[4][2] - 0.75) < 0.03 and amounts[4][1] > 0.99
claim("trained, low density", sparse_abs[True], text=0.65, within=0.07)
claim("trained, low density, no hidden ReLU", sparse_abs[False], text=0.60, within=0.04)
assert sparse_abs[False] < sparse_abs[True] < 0.75
claim("trained, density 1", abs_errors[True][0].mean(), text=0.78, within=0.05)
claim("trained, density 1, no hidden ReLU", abs_errors[False][0].mean(), text=1.0, within=0.06)
few = {relu: (values[1] < 0.25).sum(-1) for relu, values in abs_errors.items()}
assert 0 < few[True].max() <= 5 and few[False].max() == 0

# %% [markdown]
# ## 7. A real model
#
# SmolLM2 has 49,152 token embeddings in 576 dimensions. That is 85 directions for each dimension. (A token is not a feature in the toys' sense; but embeddings are directions that the model has learned, and we know their number.) Do they lie like random directions? And if you add up the embeddings of `k` tokens, can you read off which they were?
#
# We compare, all with length 1: the embeddings as they are; the same with their mean taken away; random directions; random directions that are spread like the embeddings, more along some axes than along others; and the embeddings without the five axes along which they differ most (the first five *principal axes*).

# %%
model = load()
with torch.no_grad():
    E = model.W_E.float().cpu()
    centred = E - E.mean(0)
    covariance = torch.cov(E.T)
    factor = torch.linalg.cholesky(covariance)
    five_axes = torch.linalg.eigh(covariance).eigenvectors[:, -5:]
    unit = torch.nn.functional.normalize
    tables = {
        "embeddings": unit(E, dim=-1),
        "centred": unit(centred, dim=-1),
        "random": random_units(*E.shape, generator=generator),
        "random, spread alike": unit(torch.randn(E.shape, generator=generator) @ factor.T, dim=-1),
        "centred, less five axes": unit(centred - centred @ five_axes @ five_axes.T, dim=-1),
    }
    some = torch.randperm(len(E), generator=generator)[:2000]
    pair_index = tuple(torch.triu_indices(2000, 2000, 1))
    cosines = {name: (U[some] @ U[some].T)[pair_index] for name, U in tables.items()}
    REAL_KS = (1, 4, 16)
    real = {
        name: {k: reading(U, k, draws=64, generator=generator)["right"] for k in REAL_KS}
        for name, U in tables.items()
    }
sixteen = real["centred"][16]
plots.table(
    [
        (
            name,
            f"{cosines[name].mean():.2f}",
            f"{cosines[name].std():.3f}",
            *(f"{real[name][k].mean():.2f}" for k in REAL_KS),
        )
        for name in tables
    ],
    columns=["", "mean cosine", "standard deviation", *(f"right, k = {k}" for k in REAL_KS)],
)

# %% [markdown]
# As they are, the embeddings have a mean cosine of **0.45**: they share a large common direction, which adds up `k` times and drowns the rest. So take the mean away.
#
# Still their cosines have a standard deviation of **0.10**, where random directions have `1 / sqrt(576) = 0.042`. With 16 tokens: **0.48** right (interval **0.42** to **0.53**), against **0.97**. So the model's directions interfere *more* than random ones, not less. Most of it comes from their unequal spread: random directions that are spread alike get **0.48** too. And a few axes do most of that: without five of the 576, the embeddings get **0.79**.
#
# Is that bad for the model? Not by itself. Similar tokens have similar embeddings, which is useful, and which the toys, whose features are independent, have no use for. And the model is not asked to read a sum of 16 embeddings.

# %% tags=["numbers"]
claim("mean cosine", cosines["embeddings"].mean(), text=0.45, within=0.02)
assert real["embeddings"][16].mean() < 0.02 and real["centred"][4].mean() > 0.8
claim("standard deviation, centred", cosines["centred"].std(), text=0.10, within=0.006)
claim("right, centred, k = 16", sixteen.mean(), text=0.48, within=0.06)
claim("low", bootstrap(sixteen)[0], text=0.42, within=0.06)
claim("high", bootstrap(sixteen)[1], text=0.53, within=0.06)
claim("right, random, k = 16", real["random"][16].mean(), text=0.97, within=0.02)
alike = real["random, spread alike"][16]
claim("right, spread alike, k = 16", alike.mean(), text=0.48, within=0.07)
assert real["random"][16].mean() - alike.mean() > 2 * abs(alike.mean() - sixteen.mean())
less_five = real["centred, less five axes"][16].mean()
claim("right, less five axes, k = 16", less_five, text=0.79, within=0.06)

# %% [markdown]
# ## What you found

# %% tags=["results"]
ours = ", ".join(f"{kept_in[i].mean():.1f}" for i in (0, 3, 4))
control = ", ".join(f"{linear_means[i]:.1f}" for i in (0, 3, 4)) + " without ReLU"
rows = [("5 features in 2, kept at sparsity 0, 0.8, 0.9", ours, control, "2, 4, 5 (pentagon)")]
ours = f"{near_any[0]:.2f} in 2, {near_any[1]:.2f} in 3"
control, theirs = f"{near_any[2]:.2f} untrained", "also at 2/3 and 3/4 (400 in 30)"
rows += [("D at 1/2, 2/5 or 3/8", ours, control, theirs)]
ours = f"{1 - differ.double().mean():.2f} best of six; {agrees.mean():.2f} one toy"
control = f"{(on_paper == 2).double().mean():.2f} always opposites"
rows += [("2 in 1, trained as on paper", ours, control, "the same three phases")]
ours = f"{last['ReLU, trained']:.2f}; trained directions, one length: {parts['trained', False]:.2f}"
control = f"{last['ReLU, random directions']:.2f} random; {last['linear, trained']:.2f} no ReLU"
rows += [("error at density 0.005", ours, control, "no superposition without ReLU")]
ours = f"{shared[4].mean():.2f} found; {amounts[4][0]:.2f} of |x| left"
control = f"{abs_after[4].mean():.2f} with |.| after; not shared: 0.75 left"
rows += [("1,000 features, 500 neurons, k = 4", ours, control, "not measured")]
ours, control = f"{sparse_abs[True]:.2f}", f"{sparse_abs[False]:.2f} without hidden ReLU"
rows += [("|x| trained (20 in 10), error left", ours, control, "neurons are shared (larger nets)")]
ours, control = f"{sixteen.mean():.2f} (SmolLM2)", f"{real['random'][16].mean():.2f} random"
rows += [("16 embeddings added, right", ours, control, "not measured")]
plots.table(rows, columns=["", "ours", "control", "Elhage et al. (2022)"])

# %% [markdown]
# ## Questions to discuss
#
# 1. Importance and density both enter the loss. In the map of phases, what would change if feature 1 were rarer than feature 0, instead of less important?
# 2. The linear reader's error does not depend on density, and its number of false alarms does. How can both be true?
# 3. A model must decide *while reading a text* which features are active. Which features of language are rare enough for superposition, and which are active in nearly every token? What should a model do with those?
# 4. Somebody shows you a toy whose error is well below what its neurons could do without sharing. Which control do you ask for?
#
# ## Common mistakes
#
# - Taking "the cosines are small" for "the interference is small". The first is about a pair, the second about a sum.
# - Showing the prettiest of many toys. Count them, and compare the losses of the shapes.
# - Comparing sampled losses where the event that matters hardly ever comes up in the sample.
# - Calling a network's success "superposition" without the control that has no ReLU where the superposition should be.
# - Comparing raw embeddings by cosine without taking away their common mean.
#
# ## Where this breaks
#
# In the toys features are independent, known, and all of one kind. In language, features come together (and a model may place those that do side by side), and nobody hands you the list. Shapes such as the pentagon need equal features and few dimensions. The share of toys that reach a shape depends on the training, and ours is short. And that tokens overlap says nothing yet about how SmolLM2 stores *concepts*: for that one would first need the features. Getting them out of superposition is the next lesson.
#
# ## Further reading
#
# - Elhage et al. (2022), *Toy Models of Superposition*, arXiv 2209.10652
# - Hänni et al. (2024), *Mathematical Models of Computation in Superposition*, arXiv 2408.05451
# - Welch (1974), *Lower bounds on the maximum cross correlation of signals*, IEEE Transactions on Information Theory 20
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [3.3 · Shared geometry: moving a steering vector to another model](33_shared_geometry.ipynb) | **Next:** [4.2 · Sparse autoencoders](42_sparse_autoencoders.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/33_shared_geometry.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("41")
