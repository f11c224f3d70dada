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
# 1. train toy models that hold more features than they have dimensions;
# 2. test whether a control supports its conclusion;
# 3. explain, with an experiment, why sparsity matters although random directions are nearly orthogonal.
#
# **Time** one hour for the core, and 45 minutes for *Going deeper*. **Needs** lessons 00 and 2.1: the residual stream, directions and cosines.
# **Runs** in about a minute and a half on a laptop's processor.
#
# **First, play.** A small model has to store five numbers in two. The diagram below shows how it does that. Drag the slider under the diagram: from left to right,
# the inputs get rarer. How many of the five numbers does the model store, and at which angles?

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
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from data.chat import task as chat
from utils import plots
from utils.checks import lesson_41
from utils.checks.predict import outcome, predict
from utils.circuits.figures import diagram
from utils.features import figures, superposition
from utils.features.superposition import kept, sparse_features
from utils.lesson import claim
from utils.models import load
from utils.reading.figures import slider
from utils.stats import bootstrap

IMPORTANCE = 0.9 ** torch.arange(5)

# %% tags=["folded"]
# The toy model, as a diagram.
diagram(
    boxes={
        "five features x": (0, 0),
        "two numbers": (1.5, 0),
        "five answers": (3, 0),
    },
    arrows=[
        ("five features x", "two numbers", "W"),
        ("two numbers", "five answers", "W transposed, b, ReLU"),
    ],
    marked=["two numbers"],
    title="A toy: it has to give its input back through two numbers",
)

# %% [markdown]
# Each row of `W` holds the two numbers that one feature adds when it is 1, so it is a direction in a plane. The figure shows these directions as arrows.
# **Density** is the probability that a feature is not 0. A feature counts as **kept** if its arrow is longer than `0.5`.

# %% tags=["folded"]
# Trains six toys at each density, and draws the one with the lowest loss. Drag the slider.
SHOWN = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05, 0.03)


def angles(W: Tensor) -> Tensor:
    """The cosines of all pairs of kept features, sorted: alike for toys of the same shape."""
    unit = normalize(W[kept(W)], dim=-1)
    return (unit @ unit.T)[tuple(torch.triu_indices(len(unit), len(unit), 1))].sort().values


def best_toys(densities: Sequence[float], toys: int = 6) -> tuple[list[Tensor], list[int]]:
    """At each density the toy with the lowest loss, and how many of the toys have its shape."""
    density, generator = torch.tensor(densities), torch.Generator().manual_seed(0)
    many = density.repeat_interleave(toys)

    def draw(batch_size=128):
        return sparse_features(many, batch_size=batch_size, n=5, generator=generator)

    how = {"dim": 2, "steps": 3000, "generator": generator}
    W, b = superposition.train_toys(draw, IMPORTANCE, **how)
    x = draw(4000)
    error = ((x @ W @ W.mT + b[:, None]).relu() - x).square().mean(1) * IMPORTANCE
    best, alike = [], []
    for each, loss in zip(W.split(toys), error.sum(-1).split(toys), strict=True):
        best.append(superposition.turned(each[loss.argmin()]))
        wanted = angles(best[-1])
        found = [angles(toy) for toy in each]
        alike.append(
            sum(len(a) == len(wanted) and torch.allclose(a, wanted, atol=0.2) for a in found)
        )
    return best, alike


shapes, of_six = best_toys(SHOWN)
slider(
    lambda i: figures.arrows(
        {f"density {SHOWN[i]}: the best of six toys": shapes[i]},
        title=f"Five features in two dimensions: {of_six[i]} of 6 toys have this shape",
    ),
    n=len(SHOWN),
    label="density",
    names=SHOWN,
)

# %% [markdown]
# SmolLM2's residual stream has 576 dimensions, so at most 576 directions in it can be orthogonal. A text can be about far more than
# 576 things. One hypothesis is that the model lets directions overlap and tolerates the errors. This is called **superposition**.
#
# The things that a model represents are called its **features**. Nobody has a list of the features of a language model. Elhage and colleagues (2022) therefore studied toy models such as this one, whose features are known.
#
# ## 1. Build the toy
#
# A toy's input `x` is a row of `n` independent features. Each is 0, except with probability `density`; then it is uniform between 0 and 1. **Sparsity** is 1 minus density. The function `sparse_features` draws such rows.
#
# The toy stores a row as `x @ W`, which is the sum of the directions, each times its feature. To read
# feature `i` back, it takes the dot product with the same direction, adds a bias `b_i`, and applies a ReLU, which sets negative numbers to 0.
#
# Some features can matter more than others. The loss is the squared error of each feature times the feature's *importance*, summed over features and averaged over the batch. Here feature `i` has importance `0.9^i`.
#
# You will train many toys at once, from different random starts: every tensor has a first axis [model]. The toys share no weights, so the
# gradient of the *sum* of their losses trains each toy on its own loss.
#
# ### Exercise 1 · train the toys (12 minutes, medium)
#
# The start is given:
#
# ```python
# models, _, n = draw().shape
# W = (torch.randn(models, n, dim, generator=generator) / n**0.5).requires_grad_()
# b = torch.zeros(models, n, requires_grad=True)
# optimiser = torch.optim.Adam([W, b], lr=0.01)
# schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
# ```
#
# Write the loop. At each step, draw fresh data, and compute the answers and each toy's loss. Then call `.step()` on both the optimiser and the schedule, which makes the learning rate fall
# to 0. `A.mT` is a batch of matrices, each transposed.


# %% tags=["exercise:utils.features.superposition.train_toys"]
def train_toys(
    draw: Callable[[], Float[Tensor, "model batch feature"]],
    importance: Float[Tensor, "... feature"],
    *,
    dim: int,
    steps: int,
    generator: torch.Generator,
    relu: bool = True,
) -> tuple[Float[Tensor, "model feature dim"], Float[Tensor, "model feature"]]:
    """Trains many toys at once, each on its own data, and returns W and b, detached.

    A toy answers ReLU(W W^T x + b). Its loss is the squared error times importance, summed over
    features and averaged over the batch. W starts at random (Gaussian, divided by sqrt(n) for n
    features) and b at 0. Adam's learning rate falls from 0.01 to 0 along a cosine.

    Args:
        draw: called without arguments, it returns fresh data, [model, batch, feature].
        importance: of each feature, [feature], or for each toy, [model, feature].
        generator: of the first weights.
        relu: False leaves the ReLU out: the linear control.
    """
    ### BEGIN SOLUTION
    models, _, n = draw().shape
    W = torch.randn(models, n, dim, generator=generator) / n**0.5
    W, b = W.requires_grad_(), torch.zeros(models, n, requires_grad=True)
    optimiser = torch.optim.Adam([W, b], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x = draw()
        out = x @ W @ W.mT + b[:, None]
        out = out.relu() if relu else out
        loss = ((out - x).square().mean(1) * importance).sum(-1)  # [model]
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        schedule.step()
    return W.detach(), b.detach()
    ### END SOLUTION


# %% tags=["check"]
train_toys = lesson_41.check_train_toys(train_toys)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Six lines do for a step: draw, answers, loss, `zero_grad`, `backward`, two times `step`. The answers have the shape of the data, [model, batch, feature]; `b[:, None]` gives b an axis for the batch.
# The loss has shape [model]: take the mean over the batch (axis 1), multiply by the importance, and sum over the features (the last axis).
#
# </details>
# <details><summary>Hint 2</summary>
#
# The answers are `x @ W @ W.mT + b[:, None]`, and then a ReLU unless `relu` is False. The loss of each toy is
# `((out - x).square().mean(1) * importance).sum(-1)`. Call `backward` on its sum. Return `W` and `b`, both `.detach()`ed.
#
# </details>

# %% [markdown]
# Now train six toys at each of three densities with your function. The figure draws the first of each six.


# %%
def five_in_two(
    density: Tensor, *, steps: int, relu: bool = True, importance: Tensor = IMPORTANCE
) -> tuple[Tensor, Tensor]:
    """W and b of a toy for each density, with five features in two dimensions."""
    generator = torch.Generator().manual_seed(1)

    def draw():
        return sparse_features(density, batch_size=128, n=5, generator=generator)

    how = {"dim": 2, "steps": steps, "relu": relu, "generator": generator}
    return train_toys(draw, importance, **how)


def partner_cosines(W: Tensor) -> Tensor:
    """For each kept feature of all toys: the lowest of its cosines with the toy's other kept ones."""
    unit, is_kept = normalize(W, dim=-1), kept(W)
    both = is_kept[:, :, None] & is_kept[:, None, :]
    return torch.where(both, unit @ unit.mT, 1.0).amin(-1)[is_kept]


THREE = (0.7, 0.25, 0.05)
W, b = five_in_two(torch.tensor(THREE).repeat_interleave(6), steps=3000)
partners = [partner_cosines(each).median().item() for each in W.split(6)]
biases = [
    bias[kept(each)].median().item() for each, bias in zip(W.split(6), b.split(6), strict=True)
]
figures.arrows(
    {f"density {p}": superposition.turned(W[6 * i]) for i, p in enumerate(THREE)},
    title="The first of your six toys at each density",
)

# %%
plots.table(
    [
        (p, " ".join(map(str, kept(each).sum(-1).tolist())), f"{partner:.2f}", f"{bias:.2f}")
        for p, each, partner, bias in zip(THREE, W.split(6), partners, biases, strict=True)
    ],
    columns=["density", "features kept by each toy", "cosine with the most opposite", "bias b"],
)

# %% [markdown]
# The last two columns are medians over the kept features of all six toys.
#
# - At density `0.7`, the toys keep two features and drop the others.
# - At density `0.25`, the toys in the table keep four features each, in two **opposite pairs**. Each feature has a partner with a cosine of **-1.00**.
# - At density `0.05`, all five features form a **pentagon**. The most opposite cosine is **-0.82** (in a regular pentagon, `-0.81`).
#
# Why do opposite pairs work? If only one of the two features is active, the other's answer is negative before the ReLU and 0 after it. The toy errs only when both
# are active, and rare features are seldom active together. In a pentagon, neighbours have positive cosines. There the toy learns a bias of **-0.24**: with the ReLU, this is a threshold, which sets small answers to 0.

# %% tags=["numbers"]
kept_in_play = [int(kept(shape).sum()) for shape in shapes]
assert kept_in_play[0] == 2 and 4 in kept_in_play and kept_in_play[-2:] == [5, 5]
kept_by = kept(W).sum(-1).view(3, 6).double().mean(1)
assert abs(kept_by[0] - 2) < 0.3 and (kept_by[1:] - torch.tensor([4, 5])).abs().max() < 0.3
claim("most opposite, density 0.25", partners[1], text=-1.00, within=0.02)
claim("most opposite, density 0.05", partners[2], text=-0.82, within=0.02)
claim("bias, density 0.05", biases[2], text=-0.24, within=0.03)

# %% [markdown]
# ## 2. Is the ReLU needed?
#
# The control is the same toy without its ReLU, `relu=False`.

# %%
predict(
    "41.linear",
    "Take the toy without a ReLU that has the lowest possible loss, with the importances 0.9^i. How many of its five features does it keep?",
    choices=["2", "3", "4", "5"],
)

# %% [markdown]
# A colleague has run the control: 24 toys without a ReLU, on data without zeros.

# %%
DENSE = torch.ones(24)
ones = sparse_features(DENSE, batch_size=4000, n=5, generator=torch.Generator().manual_seed(2))


def linear_loss(W: Tensor, b: Tensor) -> float:
    error = (ones @ W @ W.mT + b[:, None] - ones).square().mean(1) * IMPORTANCE
    return error.sum(-1).mean().item()


def standard_error(W: Tensor) -> float:
    """Of the mean number of features kept, over toys."""
    return (kept(W).sum(-1).float().std() / len(W) ** 0.5).item()


early = five_in_two(DENSE, steps=800, relu=False)
print(f"features kept, mean of 24 toys: {kept(early[0]).sum(-1).float().mean():.2f}")
print(f"standard error of the mean: {standard_error(early[0]):.2f}")
print(f"sum of the squared lengths, mean: {early[0].square().sum((1, 2)).mean():.2f}")

# %% [markdown]
# The colleague concludes: "These toys keep more than two features in two dimensions, and they have no ReLU. So superposition needs no nonlinearity."

# %%
predict(
    "41.flaw",
    "Which change to the control would give 2 instead?",
    choices=[
        "more toys: the mean is noise",
        "only more training",
        "only the sum of squared lengths in place of the count",
        "either: more training, or the sum of squared lengths",
        "none: the conclusion holds",
    ],
)

# %% [markdown]
# ### Exercise 2 · test the control (8 minutes, medium)
#
# The standard error tests the first answer, and the printed sum the third. Your exercise tests the second: train for more and more steps, and count the features kept each time.
# The count has settled at the first number of steps from which on every count is close to the last one.


# %% tags=["exercise:utils.features.superposition.settled_at"]
def settled_at(
    train_for: Callable[[int], Float[Tensor, "model feature dim"]],
    steps: Sequence[int],
    *,
    tolerance: float,
) -> tuple[list[float], int | None]:
    """How many features toys keep after so many steps, and from when on that number stays.

    Args:
        train_for: trains toys from their start for so many steps, and returns their W.
        steps: rising numbers of steps.
        tolerance: a number counts as settled if it, and each later one, is within this of the last.

    Returns:
        For each of `steps` the features kept, the mean over toys (a direction longer than 0.5 is
        kept); and the first of `steps` from which on they are settled. None if that is only the
        last, which has nothing later to agree with.
    """
    ### BEGIN SOLUTION
    counts = []
    for number_of_steps in steps:
        is_kept = train_for(number_of_steps).norm(dim=-1) > 0.5
        counts.append(is_kept.float().sum(-1).mean().item())
    for i, first in enumerate(steps[:-1]):
        if all(abs(later - counts[-1]) <= tolerance for later in counts[i:]):
            return counts, first
    return counts, None
    ### END SOLUTION


# %% tags=["check"]
settled_at = lesson_41.check_settled_at(settled_at)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First collect all counts in one loop: `W.norm(dim=-1) > 0.5` is [model, feature]; sum over features, mean over toys.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Then go through `steps[:-1]`: the answer is the first `i` for which *all* of `counts[i:]` are within the tolerance of `counts[-1]`.
#
# </details>

# %%
STEPS = (400, 800, 1600, 3200, 5000)
trained = {}


def linear_toys(steps: int) -> Tensor:
    trained[steps] = five_in_two(DENSE, steps=steps, relu=False)
    return trained[steps][0]


counts, settled = settled_at(linear_toys, STEPS, tolerance=0.15)
outcome("41.linear", "2" if abs(counts[-1] - 2) < 0.05 else "3")
outcome("41.flaw", "either: more training, or the sum of squared lengths")
print("settled after", settled, "steps")
equal = five_in_two(DENSE[:12], steps=STEPS[-1], relu=False, importance=torch.ones(5))[0]
rows = [(f"{steps}", W, f"{linear_loss(W, b):.4f}") for steps, (W, b) in trained.items()]
rows += [(f"{STEPS[-1]}, equal importance (12 toys)", equal, "")]
plots.table(
    [
        (
            name,
            f"{kept(W).sum(-1).float().mean():.2f}",
            f"{standard_error(W):.2f}",
            f"{W.square().sum((1, 2)).mean():.2f}",
            loss,
        )
        for name, W, loss in rows
    ],
    columns=["steps", "features kept", "standard error", "sum of squared lengths", "loss"],
)

# %% [markdown]
# Trained to the end, toys without a ReLU keep **2.00** features on average, with these *unequal* importances. After 800 steps they kept more, and the standard error shows that this was not noise. The loss gave no warning: after 800 steps it was only a few
# percent higher than at the end.
#
# A toy without a ReLU soon finds *some* plane: its squared lengths add up to 2. Then it slowly turns that plane towards the two
# most important features. Until it is done, three features or more have directions longer than `0.5`. With equal importance (last row) every plane is equally good, and most toys end with three or four
# such directions, while their squared lengths add up to **2.00**. So the count alone does not measure superposition: look at the sum of squared lengths too.
#
# Now compare both kinds of toys after 4,000 steps, at five densities.

# %%
DENSITIES = (1.0, 0.6, 0.3, 0.1, 0.03)
many = torch.tensor(DENSITIES).repeat_interleave(12)
compared = {
    name: kept(five_in_two(many, steps=4000, relu=relu)[0]).sum(-1).view(-1, 12).double()
    for name, relu in (("with ReLU", True), ("without ReLU (control)", False))
}
with_relu, without = compared.values()
fig = plots.lines(
    {name: each.mean(1) for name, each in compared.items()},
    at=DENSITIES,
    title="With a ReLU, two dimensions hold more features, the sparser the data",
    x="density (rarer to the right)",
    y="features kept, mean",
)
fig.update_xaxes(type="log", autorange="reversed", tickvals=DENSITIES)

# %% [markdown]
# Without zeros in the data, the toys with a ReLU keep two features too. At density `0.03`, all twelve or nearly all keep five: the mean over toys is **5.0**. The control stays at two
# at every density. So superposition needs two things here: sparse data, and a nonlinearity that can use the sparsity.

# %% tags=["numbers"]
claim("linear, trained to the end", counts[-1], text=2.00, within=0.04)
claim(
    "squared lengths, equal importance", equal.square().sum((1, 2)).mean(), text=2.00, within=0.02
)
assert 2.6 < kept(equal).sum(-1).float().mean() < 4
assert standard_error(early[0]) < 0.2
assert counts[1] > 2.3 and settled == 3200, (counts, settled)
excess = linear_loss(*trained[800]) / linear_loss(*trained[5000]) - 1
assert 0.01 < excess < 0.08, excess
squares = {steps: each[0].square().sum((1, 2)).mean() for steps, each in trained.items()}
assert all(abs(square - 2) < 0.05 for steps, square in squares.items() if steps >= 800)
assert abs(with_relu[0].mean() - 2) < 0.1 and (without.mean(1) - 2).abs().max() < 0.13
claim("with ReLU, density 0.03", with_relu[-1].mean(), text=5.0, within=0.2)

# %% [markdown]
# ## 3. Why sparsity, if directions are nearly orthogonal anyway?
#
# Here is an objection. In 512 dimensions, two random directions have a cosine near 0, and there can be thousands of such directions
# (the *Johnson-Lindenstrauss lemma* says how many). So why should features have to be sparse? Give each feature a random direction, add up the directions of
# the active features, and read each feature by a dot product with its direction (its *reading*).
#
# Test it with `n` = 8,192 features in `m` = 512 dimensions. Of these, `k` are active, with value 1. How large is the interference?
#
# - The cosine of two random directions has mean 0 and variance `1/m`. Let the first axis be along one of them: then the cosine is the first coordinate of the other. The squares of its `m` coordinates
#   add up to 1, so each has a mean of `1/m`.
# - The reading of an inactive feature is a sum of `k` such cosines. These are independent, so it is noise with variance `k/m` and standard deviation `sqrt(k/m)`.

# %%
N, DIM, KS = 8192, 512, (2, 4, 8, 16, 32, 64, 128, 256)
generator = torch.Generator().manual_seed(4)
directions = superposition.random_units(N, DIM, generator=generator)
cosines = (directions[:1000] @ directions[:1000].T)[tuple(torch.triu_indices(1000, 1000, 1))]
print(f"standard deviation of a cosine: {cosines.std():.4f} (sqrt(1/m) = {DIM**-0.5:.4f})")

# %% [markdown]
# A **decoder** turns the 8,192 readings into estimates of the features. You will compare three:

# %%
decoders = {
    "linear": lambda readings: readings,
    "ReLU": lambda readings: readings.relu(),
    "threshold 1/2": lambda readings: (readings - 0.5).relu(),
}

# %% [markdown]
# ### Exercise 3 · how many at once? (12 minutes, medium)
#
# The error of a decoder is the squared error, summed over all features and divided by `k`. Always answering 0 has an error of 1. For a fair comparison,
# each decoder's estimates `e` are multiplied by their best **gain**, one number for each `k`. The gain with the lowest squared error is `sum(e * x) / sum(e^2)`, summed over draws and features. Fit it on the first half of the draws, and
# measure the error on the second half. The call `torch.randperm(n, generator=generator)[:k]` draws `k` different features.


# %% tags=["exercise:utils.features.superposition.decode_sweep"]
def decode_sweep(
    directions: Float[Tensor, "feature dim"],
    ks: Sequence[int],
    decoders: Mapping[str, Callable[[Tensor], Tensor]],
    *,
    draws: int,
    generator: torch.Generator,
) -> dict[str, list[float]]:
    """How well decoders recover k active features from the sum of their directions.

    In each draw k random features are 1 and all others 0. A feature's reading is the dot product of
    its direction with the sum. A decoder turns readings, [draw, feature], into estimates, which are
    then multiplied by one number, its gain. For each k, this is the gain with the lowest squared
    error on the first half of the draws. All decoders see the same draws.

    Returns:
        For each decoder and k: the squared error on the second half of the draws, summed over all
        features and divided by k, the mean over draws. Always answering 0 has an error of 1.
    """
    ### BEGIN SOLUTION
    n, half = len(directions), draws // 2
    errors = {name: [] for name in decoders}
    for k in ks:
        x = torch.zeros(draws, n)
        for row in x:
            row[torch.randperm(n, generator=generator)[:k]] = 1
        readings = x @ directions @ directions.T
        for name, decode in decoders.items():
            estimates = decode(readings)
            gain = (estimates * x)[:half].sum() / estimates[:half].square().sum()
            squared = (gain * estimates - x)[half:].square().sum(-1)
            errors[name].append(squared.mean().item() / k)
    return errors
    ### END SOLUTION


# %% tags=["check"]
decode_sweep = lesson_41.check_decode_sweep(decode_sweep)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Fill a table `x` of zeros, [draws, n], row by row: 1 at `k` random features. The readings of all draws are `x @ directions @ directions.T`, and the right answer is `x` itself.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Call each decoder on the same readings. With `half = draws // 2`, the gain is `(estimates * x)[:half].sum()`, divided by the sum of `estimates[:half].square()`. The error is that of `gain * estimates` in the rows `[half:]`.
#
# </details>

# %%
predict(
    "41.threshold",
    "Each decoder has its best gain. Which recover much less of each feature with 64 active features than with 4?",
    choices=["none", "linear", "linear and ReLU", "threshold 1/2", "all three"],
)

# %%
errors = decode_sweep(directions, KS, decoders, draws=512, generator=generator)
linear_errors, relu_errors, threshold_errors = errors.values()
FEW, MANY = KS.index(4), KS.index(64)
worse = [name for name, each in errors.items() if each[MANY] > each[FEW] + 0.1]
outcome("41.threshold", "threshold 1/2" if worse == ["threshold 1/2"] else "all three")
fig = plots.lines(
    errors,
    at=KS,
    title="How much of k active features does each decoder miss?",
    x="features active at once, k",
    y="squared error / k",
)
fig.add_hline(y=1, line={"dash": "dot"}, annotation_text="always answering 0")
fig.update_xaxes(type="log", tickvals=KS)

# %%
plots.table(
    [
        (k, f"{(k / DIM) ** 0.5:.2f}", *(f"{each[i]:.3f}" for each in errors.values()))
        for i, k in enumerate(KS)
    ],
    columns=["k", "noise sqrt(k/m)", *errors],
)

# %% [markdown]
# - **Linear** has an error of **0.94** at every `k`: with fewer active features there is less noise, but also less to recover. So sparsity does not help a linear decoder, as in the control of section 2.
# - **ReLU** has an error of **0.89** at every `k`. It removes the negative half of the noise. The positive half passes, however sparse the features are.
# - **Threshold 1/2** has an error of **0.022** with 4 active features, where nearly all of the noise stays below 1/2. With 32 active features the error is **0.37**, since many of the 8,000 inactive
#   ones exceed 1/2. With 256 it is hardly better than ReLU.
#
# The threshold was the same for all `k`; another one may do better. Its advantage over the linear decoder needs few active features.
#
# So the objection is right about pairs of directions, and wrong about sums. Nearly orthogonal directions let a model *store* many features. *Reading* them back one by one takes a threshold, such as the bias of your pentagon toys, and few active features at once.
# The sparse autoencoders of lesson 4.2 also read each feature by itself, but they learn their directions and thresholds.

# %% tags=["numbers"]
assert abs(cosines.std() - DIM**-0.5) < 0.0005
assert max(abs(error - 0.94) for error in linear_errors) < 0.01
claim("linear", linear_errors[0], text=0.94, within=0.01)
assert max(abs(error - 0.89) for error in relu_errors) < 0.012
claim("ReLU", relu_errors[0], text=0.89, within=0.01)
claim("threshold, 4 active", threshold_errors[FEW], text=0.022, within=0.003)
claim("threshold, 32 active", threshold_errors[KS.index(32)], text=0.37, within=0.02)
assert sorted(threshold_errors) == threshold_errors and worse == ["threshold 1/2"]
assert 0 < relu_errors[-1] - threshold_errors[-1] < 0.05

# %% [markdown]
# ## Going deeper: how sparse must the data be?
#
# The smallest case can be solved on paper: **two features, one dimension**. Feature 0 has importance 1, and feature 1 has importance `I`. A toy can do one of three things. It can keep only
# feature 0, keep only feature 1, or keep both as opposites, with `W = [1, -1]` and `b = 0`. Write `p` for the density.
#
# - **A dropped feature.** The best constant answer is the feature's mean, `p/2`. The squared error is then the feature's *variance*. This is the mean of its square minus the square of its mean,
#   `p/3 - p^2/4`. (The mean square of a number uniform between 0 and 1 is `1/3`.)
# - **Opposites.** The answers are `ReLU(x_0 - x_1)` and `ReLU(x_1 - x_0)`. Where at most one feature is active, both answers are right. Where both are active, each answer is too low by the
#   smaller of the two values, and the mean square of that is `1/6`.
#
# ### Exercise 4 · the phase border (8 minutes, hard)
#
# On paper, derive the loss of each of the three strategies. From these, derive the density below which opposites have the lowest loss, as a function of `I`.


# %% tags=["exercise:utils.features.superposition.phase_border"]
def phase_border(importance: Float[Tensor, " setting"]) -> Float[Tensor, " setting"]:
    """The density below which two features share one dimension, for each relative importance.

    Args:
        importance: of feature 1; feature 0 has importance 1.
    """
    ### BEGIN SOLUTION
    dropped = importance.clamp(max=1)  # the less important one is dropped
    # dropped * (p/3 - p^2/4) = p^2 (1 + importance) / 6, solved for p
    return (dropped / 3) / ((1 + importance) / 6 + dropped / 4)
    ### END SOLUTION


# %% tags=["check"]
phase_border = lesson_41.check_phase_border(phase_border)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The better of the first two strategies drops the less important feature: it loses `min(1, I)` times the variance `p/3 - (p/2)^2`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Opposites err with probability `p^2`, and lose `(1 + I) / 6` then. Set the two losses equal and divide by `p`: what is left is linear in `p`.
#
# </details>

# %% [markdown]
# As features get rarer, the loss of a dropped feature falls with `p` and the loss of opposites with `p^2`. So there is a border. The next cell trains six toys at each of 9 densities and
# 11 importances. The map shows what the toy with the lowest loss of the six keeps, and your border. (The losses are computed exactly. A sampled loss would be too noisy, since both features are active in very few rows.)

# %%
PAIR_DENSITY, PAIR_IMPORTANCE, RUNS = torch.logspace(0, -1.7, 9), torch.logspace(-1, 1, 11), 6
grid = torch.meshgrid(PAIR_DENSITY, PAIR_IMPORTANCE, indexing="ij")
grid_density, grid_importance = (axis.flatten() for axis in grid)
density, importance = grid_density.repeat(RUNS), grid_importance.repeat(RUNS)
importance = torch.stack([torch.ones(len(density)), importance], -1)
generator = torch.Generator().manual_seed(5)


def draw_pairs():
    return sparse_features(density, batch_size=128, n=2, generator=generator)


pair_W, pair_b = train_toys(draw_pairs, importance, dim=1, steps=1000, generator=generator)
# What a toy keeps: only 0, only 1, both as opposites (2), or both on the same side (3).
longer = (pair_W[:, 1, 0].abs() > pair_W[:, 0, 0].abs()).long()
both = torch.where(pair_W[..., 0].prod(-1) > 0, 3, 2)
kinds = torch.where(kept(pair_W).all(-1), both, longer).view(RUNS, -1)
loss = superposition.exact_pair_loss(pair_W, pair_b, density, importance).view(RUNS, -1)
best_kind = kinds.gather(0, loss.argmin(0)[None])[0]
line = torch.logspace(-1, 1, 41)
figures.phases(
    best_kind.view(9, 11),
    kinds=("only feature 0", "only feature 1", "opposites", "same side"),
    x=PAIR_IMPORTANCE.tolist(),
    y=PAIR_DENSITY.tolist(),
    border=dict(zip(line.tolist(), phase_border(line).tolist(), strict=True)),
    title="What does the best of six toys keep?",
    x_title="importance of feature 1",
    y_title="density (rarer upwards)",
)

# %%
derived = torch.where(grid_density < phase_border(grid_importance), 2, (grid_importance > 1).long())
agrees = (kinds == derived).double()
agrees_best = (best_kind == derived).double()
opposites = derived == 2
plots.table(
    [
        ("best of six toys", f"{agrees_best.mean():.2f}"),
        ("one toy", f"{agrees.mean():.2f}"),
        ("always saying opposites (baseline)", f"{opposites.double().mean():.2f}"),
    ],
    columns=["agreement with the derived map", "share of the 99 settings"],
)

# %% [markdown]
# The best of six toys agrees with the derivation in **0.97** of the settings. The derivation fixes `W = [1, -1]` and `b = 0`. Other opposites can have a lower loss, so the border is a lower bound of the densities at which opposites are best. The exceptions lie next to it. A *single* toy agrees in about three of four settings. In one dimension, two directions that
# start on the same side can become opposites only if one of them passes through 0, and many toys get stuck there. The derivation says which solution is best, and not which one training finds.

# %% tags=["numbers"]
claim("best of six agrees", agrees_best.mean(), text=0.97, within=0.04)
assert 0.65 < agrees.mean() < 0.85 and agrees_best.mean() > opposites.double().mean() + 0.2

# %% [markdown]
# ## Going deeper: an unknown toy
#
# ### Investigation · who shares a dimension? (8 minutes, medium)
#
# `UnknownToy()` has eight features in four dimensions, and you cannot see its weights. Call it with a row of eight numbers, of any size and sign, and it returns its eight
# answers. You have **six** rows. (When they are spent, `toy = UnknownToy()` starts again; try not to need it.)
#
# The toy dropped some features: their answers do not depend on the row. Which of the others share dimensions? Give a list of groups, such as `[(0, 1), (2,)]`. Features whose directions
# are not orthogonal belong to one group. A feature that is alone in its dimension is a group of its own. Dropped features are left out.

# %%
toy = superposition.UnknownToy()
print([f"{answer:.2f}" for answer in toy([1, 0, 0, 0, 0, 0, 0, 0]).tolist()])  # one of the six

# %% tags=["answer:groups"]
### BEGIN SOLUTION
groups = [(5,), (2, 7), (0, 3, 6)]
### END SOLUTION

# %% tags=["check"]
groups = lesson_41.check_groups(groups)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# If feature 0 alone is 1, its partners answer 0. Their directions point away from it, so their answers are negative before the ReLU. Which row
# makes these numbers positive?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Put `-1` for one feature. Then each feature whose direction points away from it answers with a positive number. Answers that are the same in every row belong to dropped features, which need no rows. You can also try two features in one row.
#
# </details>

# %% tags=["numbers"]
secret = superposition.UnknownToy(8)
answers = torch.stack([secret(row) for row in -torch.eye(8)])
answers = answers - answers.min(0).values  # what does not depend on the row
found = {frozenset([i, *(row > 0.1).nonzero().flatten().tolist()]) for i, row in enumerate(answers)}
assert found - {frozenset([1]), frozenset([4])} == {frozenset(group) for group in groups}

# %% [markdown]
# ## Going deeper: shapes and fractions
#
# Arrows cannot be drawn in five dimensions. Elhage and colleagues measure how much of a dimension each feature has, its **dimensionality**:
#
# `D_i = |W_i|^2 / sum_j (u_i . W_j)^2`, where `u_i = W_i / |W_i|`,
#
# and `j` runs over all features, `i` too. The sum is how much all features together put on the direction of `i`. A feature that is alone in its dimension
# has `D = 1`. In an opposite pair of length 1, the feature itself puts 1 on its direction, and its opposite puts `(-1)^2 = 1` there. So `D = 1/(1 + 1) = 1/2`. In the same way, each corner of a triangle (three features in two dimensions) has 2/3, and each of a pentagon 2/5.
#
# For a whole toy there is a simpler measure: dimensions per feature, `dim / sum_i |W_i|^2`. If all kept features have length 1, the sum is their number.
#
# ### Exercise 5 · the sweep (10 minutes, medium)
#
# Train several toys at each density, and measure both.


# %% tags=["exercise:utils.features.superposition.geometry_sweep"]
def geometry_sweep(
    train: Callable[[Float[Tensor, " model"]], Float[Tensor, "model feature dim"]],
    densities: Float[Tensor, " density"],
    *,
    toys: int,
) -> tuple[Float[Tensor, "density toy feature"], Float[Tensor, "density toy"]]:
    """Trains several toys at each density, and measures how features share dimensions.

    Source: Elhage et al. (2022), arXiv 2209.10652.

    Args:
        train: given a density for each toy, it trains them together and returns their W.
        toys: how many at each density.

    Returns:
        The dimensionality D of every feature, D_i = |W_i|^2 / sum_j (u_i . W_j)^2, where u_i is W_i
        at length 1 and j runs over all features, i too; 0 for a feature whose W_i is 0. And for
        each toy its dimensions per feature, dim / sum_i |W_i|^2.
    """
    ### BEGIN SOLUTION
    W = train(densities.repeat_interleave(toys))  # [model, feature, dim]
    length = W.norm(dim=-1)
    unit = W / length.clamp(min=1e-6)[..., None]
    on_it = (unit @ W.mT).square().sum(-1)
    D = length.square() / on_it.clamp(min=1e-12)
    per_feature = W.shape[-1] / length.square().sum(-1)
    return D.view(len(densities), toys, -1), per_feature.view(len(densities), toys)
    ### END SOLUTION


# %% tags=["check"]
geometry_sweep = lesson_41.check_geometry_sweep(geometry_sweep)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `densities.repeat_interleave(toys)` gives each toy its density; one call of `train` does all. At the end, `.view(len(densities), toys, -1)` brings the
# two axes back.
#
# </details>
# <details><summary>Hint 2</summary>
#
# All dot products `u_i . W_j` at once are `unit @ W.mT`, [model, feature i, feature j]. Square, and sum over `j`, the last axis. `.clamp(min=...)`
# what you divide by, for features of length 0.
#
# </details>

# %%
predict(
    "41.plateau",
    "20 features in 5 dimensions, in rarer and rarer data: at which of these densities do most kept features first no longer have D = 1/2?",
    choices=["1/2.5", "1/3.5", "1/4.5", "1/10"],
)

# %%
INVERSE = (1.35, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 10)
densities = 1 / torch.tensor(INVERSE)
swept = []


def alike_features(density: Tensor) -> Tensor:
    """W of toys with 20 features of equal importance in 5 dimensions."""
    generator = torch.Generator().manual_seed(3)

    def draw():
        return sparse_features(density, batch_size=256, n=20, generator=generator)

    W = train_toys(draw, torch.ones(20), dim=5, steps=3000, generator=generator)[0]
    swept.extend(W)
    return W


D, per_feature = geometry_sweep(alike_features, densities, toys=4)
opposite = [partner_cosines(W).mean().item() for W in torch.stack(swept).split(4)]


def near(i: int, *fractions: float) -> float:
    """Share of the features with D above 0.1 that lie within 0.01 of a fraction, at INVERSE[i]."""
    values = D[i][D[i] > 0.1]
    close = [(values - fraction).abs() < 0.01 for fraction in fractions]
    return torch.stack(close).any(0).double().mean().item()


third = INVERSE.index(3)
locked = [near(INVERSE.index(i), 1 / 2) > 0.5 for i in (2.5, 3.5, 4.5)]
outcome("41.plateau", "1/4.5" if locked == [True, True, False] else "1/3.5")
SHOW = [INVERSE.index(i) for i in (1.35, 1.75, 2.5, 3.5, 5, 10)]
figures.dimensionalities(
    D[SHOW],
    densities[SHOW],
    per_feature=per_feature[SHOW],
    title="Does D take any value as features get rarer, or a few?",
)

# %%
FRACTIONS = {"2/3": 2 / 3, "1/2": 1 / 2, "2/5": 2 / 5, "3/8": 3 / 8, "1/3": 1 / 3}
lines = [
    (
        f"1/{inverse:g}",
        *(f"{near(i, value):.2f}" for value in FRACTIONS.values()),
        f"{opposite[i]:.2f}",
    )
    for i, inverse in enumerate(INVERSE)
]
columns = [
    "density",
    *(f"D within 0.01 of {name}" for name in FRACTIONS),
    "mean cosine with the most opposite",
]
plots.table(lines, columns=columns)

# %% [markdown]
# At densities from 1/2 to 1/3, nearly all *kept* features (10 of the 20, at D above `0.1`) lie within `0.01` of 1/2. At 1/3 their share is **1.00**, and the most opposite direction has a mean cosine of **-1.00**: these toys consist of separate opposite pairs.
# The line of dimensions per feature is flat there. So D does lock onto a fraction. If D were spread evenly from `0.3` to `0.7`, only `0.05` of the features would lie so near to it.
#
# The other fractions are weaker. At higher densities, some features lie at 2/3, as in triangles. Around density 1/4, some lie at 2/5 (pentagons) or
# 3/8; how many differs much from seed to seed. In the sparsest data, D lies at no fraction of the table. The paper, with 400 features in 30 dimensions, shows tetrahedra (3/4) as well. We did **not** find those in our smaller toys.

# %% tags=["numbers"]
claim("near 1/2 at density 1/3", near(third, 1 / 2), text=1.00, within=0.03)
claim("most opposite at density 1/3", opposite[third], text=-1.00, within=0.02)
assert all(near(INVERSE.index(i), 1 / 2) > 0.8 for i in (2, 2.5, 3))
assert near(INVERSE.index(4), 2 / 5, 3 / 8) > 0.1
assert 0.03 < max(near(i, 2 / 3) for i in range(3)) < 0.6
assert max(near(i, 3 / 4) for i in range(len(INVERSE))) < 0.15
assert abs((D[third] > 0.1).sum(-1).double().mean() - 10) < 0.6
assert max(near(len(INVERSE) - 1, value) for value in FRACTIONS.values()) < 0.15

# %% [markdown]
# ## Going deeper: three neurons of SmolLM2
#
# In a language model, the features are not known, but superposition makes a prediction. If there are more features than neurons, most neurons should respond to several unrelated things. Such neurons are called **polysemantic**. Papers often show
# neurons that were picked because they are polysemantic. Here are three random neurons of the MLP of block 10, on texts that SmolLM2 wrote.
#
# The function `top_contexts` records the neurons' activations after the nonlinearity, at the hook `blocks.10.mlp.hook_post`. For each neuron it returns the eight texts in which it is most active, and where.

# %%
model = load()
LAYER, LENGTH, K = 10, 48, 8
bos = torch.tensor([model.tokenizer.bos_token_id])
long_enough = [row.long() for row in chat.texts() if len(row) >= LENGTH - 1]
generator = torch.Generator().manual_seed(6)
chosen = torch.randperm(len(long_enough), generator=generator)[:192].tolist()
tokens = torch.stack([torch.cat([bos, long_enough[i][: LENGTH - 1]]) for i in chosen])
tokens = tokens.to(model.cfg.device)
neurons = torch.randperm(model.cfg.d_mlp, generator=generator)[:64].tolist()
found = superposition.top_contexts(model, tokens, layer=LAYER, neurons=neurons, k=K)
values, texts, positions = (each.cpu() for each in found)


def snippet(text: int, at: int) -> str:
    """The token at a position in brackets, with eight before and four after it."""
    words = [model.tokenizer.decode([token]) for token in tokens[text].tolist()]
    before, after = "".join(words[max(1, at - 8) : at]), "".join(words[at + 1 : at + 5])
    return f"{before}[{words[at]}]{after}".replace("\n", "↵")


plots.table(
    [
        (neurons[i], f"{values[i, j]:.1f}", snippet(int(texts[i, j]), int(positions[i, j])))
        for i in range(3)
        for j in range(K)
    ],
    columns=["neuron", "activation", "context"],
)

# %% [markdown]
# To how many different things does each neuron respond? If a neuron stands for one thing, its top contexts should be alike. We compare two contexts by the residual stream before
# block 10 at the bracketed token, minus its mean over all tokens. A neuron's score is the mean cosine of two of its eight contexts. There are two references:
#
# - **mixed** (control): the same contexts in other sets, so that each set has eight contexts of eight different neurons;
# - **one token**: eight random places with the same token, as an example of one clear meaning.

# %%
stream_name = f"blocks.{LAYER}.hook_resid_pre"
streams = []
with torch.no_grad():
    for batch in tokens.split(32):
        how = {"names_filter": [stream_name], "stop_at_layer": LAYER + 1}
        streams.append(model.run_with_cache(batch, **how)[1][stream_name].cpu())
stream = torch.cat(streams)
stream = stream - stream[:, 1:].mean((0, 1))
at_top = stream[texts, positions]  # [neuron, k, d_model]
mixed = torch.stack([at_top[:, j].roll(5 * j, 0) for j in range(K)], 1)
flat, ids = stream[:, 1:].flatten(0, 1), tokens[:, 1:].flatten().cpu()
often = (ids.bincount() >= 30).nonzero().flatten().tolist()
places = [(ids == token).nonzero().flatten() for token in often]
places = [each[torch.randperm(len(each), generator=generator)[:K]] for each in places]
one_token = torch.stack([flat[each] for each in places])
sets = {"64 random neurons": at_top, "mixed (control)": mixed, "one token": one_token}
likeness = {name: superposition.alike(vectors) for name, vectors in sets.items()}
plots.table(
    [
        (
            name,
            f"{each.mean():.2f}",
            "{:.2f} to {:.2f}".format(*each.quantile(torch.tensor([0.1, 0.9])).tolist()),
        )
        for name, each in likeness.items()
    ],
    columns=["sets of eight contexts", "mean cosine", "10% to 90%"],
)

# %% [markdown]
# A random neuron's top contexts are more alike than contexts of different neurons: they have a mean cosine of **0.17**, and the mixed sets have one near 0. So neurons do select something. But they are far less alike than places with the same token
# (**0.69**).
#
# By this measure, most neurons drawn at random do not stand for one clear thing. This does **not** show that superposition is the reason. A neuron may have one meaning that the
# measure misses, such as a role in the sentence. The cosine depends much on the token itself, so "one token" is a demanding reference. And the contexts are the top of each neuron's range, on
# 9,000 tokens; negative activations were left out.

# %% tags=["numbers"]
own, mix, one = likeness.values()
claim("likeness of a neuron's contexts", own.mean(), text=0.17, within=0.025)
assert abs(mix.mean() - 0.02) < 0.02
claim("likeness with one token", one.mean(), text=0.69, within=0.05)
assert bootstrap(own - mix)[0] > 0.08 and bootstrap(own)[1] < bootstrap(one)[0] - 0.2

# %% [markdown]
# ## What you found

# %% tags=["results"]
rows = [
    (
        "5 features in 2, kept at density 1, 0.3, 0.03",
        ", ".join(f"{with_relu[i].mean():.1f}" for i in (0, 2, 4)),
        ", ".join(f"{without[i].mean():.1f}" for i in (0, 2, 4)) + " without ReLU",
        "2, 4, 5 (pentagon), at falling densities",
    ),
    (
        "D at density 1/3",
        f"1/2 for {near(third, 1 / 2):.2f} of kept features",
        f"{near(len(INVERSE) - 1, 1 / 2):.2f} at density 1/10",
        "1/2; also 2/3, 3/4, 2/5, 3/8 (400 features in 30)",
    ),
    (
        "4 active of 8,192 in 512, error",
        f"{threshold_errors[FEW]:.3f} with threshold",
        f"{linear_errors[FEW]:.2f} linear; {relu_errors[FEW]:.2f} ReLU",
        "not measured",
    ),
    (
        "2 features in 1, best as derived",
        f"{agrees_best.mean():.2f} best of six; {agrees.mean():.2f} one toy",
        f"{opposites.double().mean():.2f} always opposites",
        "the same three phases",
    ),
    (
        "top contexts of a random neuron, mean cosine",
        f"{likeness['64 random neurons'].mean():.2f} (SmolLM2, block 10)",
        f"{likeness['mixed (control)'].mean():.2f} mixed; {likeness['one token'].mean():.2f} one token",
        "not measured",
    ),
]
plots.table(rows, columns=["", "ours", "control", "Elhage et al. (2022), toys"])

# %% [markdown]
# ## Questions to discuss
#
# 1. Importance and density both enter the loss. In the map of two features, what would change if feature 1 were rarer than feature 0, instead of less important?
# 2. Which features of language are rare enough for superposition, and which are active at nearly every token? What should a model do with those?
# 3. Your control agrees with what you expected. Do you still check that it has settled?
#
# ## Common mistakes
#
# - Concluding from small cosines that the interference is small. A cosine is about one pair, and interference is a sum over all active features.
# - Showing the prettiest of many toys without counting the others.
# - Concluding from a flat loss that the training has ended.
# - Calling a neuron monosemantic, or polysemantic, from its top contexts alone. They show the top of its range, on one set of texts.
#
# ## Where this breaks
#
# In the toys, features are independent, known, and all of one kind. In language, features come together, and nobody has the list. Shapes such as the pentagon need equal features and few
# dimensions. Which share of toys reaches a shape depends on the training. That SmolLM2's features are directions at all is an assumption. The next lesson looks for them.
#
# ## Further reading
#
# - Elhage et al. (2022), *Toy Models of Superposition*, arXiv 2209.10652
# - Scherlis et al. (2022), *Polysemanticity and Capacity in Neural Networks*, arXiv 2210.01892
# - Hänni et al. (2024), *Mathematical Models of Computation in Superposition*, arXiv 2408.05451: not storing, but computing
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [3.3 · Shared geometry: moving a steering vector to another model](33_shared_geometry.ipynb) | **Next:** [4.2 · Sparse autoencoders](42_sparse_autoencoders.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/33_shared_geometry.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("41")
