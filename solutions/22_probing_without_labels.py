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
# # 2.2 · Probing without labels
#
# [![Open lesson 2.2 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.1 · A probe that looks like truth](21_a_probe_that_looks_like_truth.ipynb) | **Next:** [2.3 · World models: a board that the model was never shown](23_world_models.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/21_a_probe_that_looks_like_truth.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/23_world_models.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. follow one fixed direction through the layers of a model, and say what it reads at each;
# 2. train a probe without labels (CCS), and say what its loss can and cannot show;
# 3. say when such a probe's loss chooses what it finds, and when size does;
# 4. erase a concept from activations (LEACE), and measure how much of it is left.
#
# **Time** 60 minutes for the core, and 65 minutes for *Going deeper*. **Needs** lesson 2.1: probes, splits by group.
# **Runs** in about two minutes on a laptop's processor.
#
# **First, play.** The third cell scores sentences along *one fixed direction*: the mean of sentences with good words minus that of sentences with bad words, in the residual stream before block 16. It never saw a "not".
# The stream of *every* layer is projected on it. The scale is set at each layer by other words in plain sentences: +1 is the mean of the good ones, -1 that of the bad ones. Run it, then change `TEXTS`. Which of your sentences does the direction get right, and from which layer on?

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
import csv
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import plots
from utils.activations import activations, next_logits, tokens_of
from utils.checks import lesson_22
from utils.checks.predict import outcome, predict
from utils.lesson import claim
from utils.models import load
from utils.reading.erasure import Eraser
from utils.reading.probes import logistic, mean_difference, split_by_group
from utils.reading.unsupervised import Found, agreement, normalised
from utils.stats import auc, bootstrap

LAYER = 16
model = load()
device = model.cfg.device


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def read(name: str) -> list[dict]:
    """The rows of a table in `data/facts`."""
    with (root / "data" / "facts" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# 80 words, 40 of them good, in two sentences; a direction is fitted on the first sentence and 48
# words, and read on the second sentence and the other 32.
words = {row["word"]: int(row["label"]) for row in read("sentiment") if row["negated"] == "0"}
good = torch.tensor(list(words.values()))
unseen = split_by_group(list(words), test=0.4, generator=seeded(0))
SENTENCES = {
    "fit": "The movie was {}.",
    "plain": "I think that our hotel is {}.",
    "not": "I think that our hotel is not {}.",
    "not only": "I think that our hotel is not only {}.",
    "really": "I think that our hotel is really {}.",
}
streams = {
    name: activations(model, [sentence.format(word) for word in words], layers=20)
    for name, sentence in SENTENCES.items()
    if name != "really"
}


def direction_at(layer: int) -> Tensor:
    """The difference of means of good and bad words, of length 1."""
    found = mean_difference(streams["fit"][layer, ~unseen], good[~unseen]).direction
    return found / found.norm()


def placed(texts: Sequence[str], direction: Tensor) -> Tensor:
    """[layer, text]: scores at the last token; +1 and -1 are good and bad words on average."""
    x = activations(model, texts, layers=20)
    seen = streams["plain"][:, ~unseen] @ direction
    yes, no = (seen[:, good[~unseen] == label].mean(1, keepdim=True) for label in (1, 0))
    return (2 * x @ direction - yes - no) / (yes - no)


TEXTS = [
    "I think that our hotel is wonderful.",
    "I think that our hotel is not wonderful.",
    "I think that our hotel is not awful.",
    "I think that our hotel is not only wonderful.",
]
scores = placed(TEXTS, direction_at(LAYER))[8:]
plots.lines(
    dict(zip(TEXTS, scores.T.tolist(), strict=True)),
    title="Sentences along one fixed direction: which turn round, and where?",
    x="layer (at the full stop)",
    y="score: +1 good, -1 bad",
    at=list(range(8, 21)),
    chance=0,
)

# %% [markdown]
# ## 1. One direction through all layers
#
# Four sentences are an anecdote. So take 32 words that the direction was not fitted on, in a sentence that it was not fitted on. The **gap** is the mean score of the good words minus that of the bad words.
# The figure divides the gap with "not" by the gap without: 1 means that "not" changes nothing, and below 0 the reading has turned round. If the direction were fitted again at each layer, a turn might come from the *direction*, and not from the activations. So it is fitted once, at one layer, and there are four choices
# of that layer. The control is "not only", which has a "not" and keeps the meaning.


# %%
def gap(name: str, direction: Tensor) -> Tensor:
    """[layer]: mean score of unseen good words minus that of unseen bad words."""
    x, y = streams[name][:, unseen] @ direction, good[unseen]
    return x[:, y == 1].mean(1) - x[:, y == 0].mean(1)


def kept(name: str, layer: int) -> list[float]:
    """From layer 8 on: the gap in these sentences, in units of the plain sentences' gap."""
    direction = direction_at(layer)
    return (gap(name, direction) / gap("plain", direction))[8:].tolist()


fixed = {f'"not", direction of layer {at}': kept("not", at) for at in (10, 12, 16, 20)}
turn = plots.lines(
    {**fixed, 'control: "not only", layer 16': kept("not only", LAYER)},
    title='Between layers 14 and 15, "not" turns the reading round<br>along three of four fixed directions',
    x="layer (at the full stop)",
    y="gap with not / gap without",
    at=list(range(8, 21)),
    chance=0,
)
turn.update_traces(line={"color": "#999", "width": 1.5}, selector={"name": [*fixed][0]})

# %% [markdown]
# *Layer 14* is the stream before block 14, and layer 15 the stream after it. At layer 14 the gap is still positive, at layer 15 it is **-0.61** (direction of layer 16): so block 14 turns the reading round. The directions of layers 12 and 20 agree. That of layer 10 (grey) turns later, and hardly: the finding is about a direction
# that the middle layers share, and not about every direction that reads sentiment. "Not only" stays positive. (Which part of block 14 does it, and whether what the model says next changes, too: *Going deeper*.)
#
# That direction was fitted with labels. What if you have none?

# %% tags=["numbers"]
claim("gap at layer 15, direction of 16", kept("not", 16)[7], text=-0.61, within=0.06)
for at in (12, 16, 20):
    assert kept("not", at)[6] > 0.1 and max(kept("not", at)[7:]) < -0.1
assert kept("not", 10)[7] > 0 and min(kept("not only", 16)) > 0.4

# %% [markdown]
# ## 2. CCS: a probe that agrees with itself
#
# **Contrast-consistent search** (CCS; Burns and colleagues, arXiv 2212.03827) takes *pairs* of statements of which just one is true. It does not know which. It looks for a direction and a bias so that the two probabilities fit together:
#
# - *consistency*: `p(first) = 1 - p(second)`;
# - *confidence*: the smaller of the two is near 0, so that "a half for each" is no solution.
#
# Both are squared and added, and the mean over the pairs is the loss; where all probabilities are a half, it is `0.25`. Before that, each half is **normalised** by itself (given: `normalised` subtracts its mean and divides by its standard deviation): without that, a probe could read whatever all first halves share.
# In Burns's paper the two halves are one question with the answers "Yes" and "No". Ours are the two answers of "The opposite of hot is ...", in random order: 68 pairs, at the full stop.
#
# ### Exercise 1 · train CCS (12 minutes, medium)
#
# Train, and return what the probe believes. One start is one call.


# %% tags=["exercise:utils.reading.unsupervised.ccs"]
def ccs(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    *,
    start: Float[Tensor, " d_model"],
    steps: int = 250,
    lr: float = 0.01,
) -> Found:
    """Contrast-consistent search from one start: a probe that calls one of each pair true.

    The probe gives `sigmoid(x @ direction + bias)`. Begin with `start`, and the bias at 0. Take
    `steps` steps of Adam with step size `lr`. The loss is the mean over pairs of
    `(p_first - (1 - p_second)) ** 2` plus the square of the smaller of the two.

    Args:
        first, second: the halves, already normalised.

    Returns:
        `Found(belief, loss)` after the last step: the mean of `p_first` and `1 - p_second`,
        [pair], without a gradient, and the loss, a number.

    Source: Burns et al., 2022 (arXiv 2212.03827).
    """
    ### BEGIN SOLUTION
    direction, bias = start.clone().requires_grad_(), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([direction, bias], lr=lr)

    def probabilities():
        return (torch.sigmoid(half @ direction + bias) for half in (first, second))

    def loss_of(p, q):
        return ((p - (1 - q)) ** 2 + torch.minimum(p, q) ** 2).mean()

    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(*probabilities()).backward()
        optimizer.step()
    with torch.no_grad():
        p, q = probabilities()
        return Found((p + 1 - q) / 2, loss_of(p, q).item())
    ### END SOLUTION


# %% tags=["check"]
ccs = lesson_22.check_ccs(ccs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Make `direction = start.clone().requires_grad_()` and a bias of 0 that requires a gradient, and hand both to `torch.optim.Adam([direction, bias], lr=lr)`. Each step: `zero_grad`, loss, `backward`, `step`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.minimum(p, q)` compares pair by pair. After the loop compute both probabilities *again*, without gradients: those of the last loop are one step old.
#
# </details>

# %% [markdown]
# **Agreement** is the share of pairs in which the belief and the labels choose alike. CCS cannot know which sign means true, so the better sign counts: even a coin agrees in about `0.55` of 68 pairs (the grey line). Labels are used for nothing else here, so there is no test set. Beside CCS stand two methods without training:
# the **first principal component** (PC1) of the differences of the two halves, that is, the direction along which they vary most (Burns and colleagues call this CRC); and 40 random directions.
#
# CCS is usually run from several starts, and the one with the lowest loss is reported. Below every start is a dot, and the bar is the one of lowest loss.


# %% tags=["folded"]
# The pairs, their activations, random starts, and PC1.
def pairs_of(family: str, negated: str = "0") -> tuple[list[str], list[str], Tensor, list[dict]]:
    """The two statements of each pair in random order, 1 where the first is true, and its row."""
    by_subject: dict = {}
    for row in read("facts"):
        if row["family"] == family and row["negated"] == negated:
            by_subject.setdefault((row["pair"], row["subject"]), []).append(row)
    turned = torch.rand(len(by_subject), generator=seeded(0)) < 0.5
    both = [two[::-1] if t else two for two, t in zip(by_subject.values(), turned, strict=True)]
    true = torch.tensor([int(one["label"]) for one, _ in both])
    one, two = ([each[i]["statement"] for each in both] for i in (0, 1))
    return one, two, true, [one for one, _ in both]


def halves(one: list[str], two: list[str], layer: int = LAYER) -> tuple[Tensor, Tensor]:
    """The stream before block `layer` at the last tokens of both halves, normalised."""
    x, y = activations(model, [*one, *two], layers=layer)[layer].split(len(one))
    return normalised(x), normalised(y)


def random_start(seed: int, d: int = model.cfg.d_model) -> Tensor:
    return torch.randn(d, generator=seeded(seed)) / d**0.5


def component(first: Tensor, second: Tensor) -> Tensor:
    """The first principal component of the differences."""
    return torch.linalg.svd(first - second, full_matrices=False).Vh[0]


def agrees_along(first: Tensor, second: Tensor, direction: Tensor, labels: Tensor) -> float:
    """Agreement of a direction with labels."""
    return agreement((first - second) @ direction + 0.5, labels)


# %%
ones, twos, truth, facts = pairs_of("opposites")
first, second = halves(ones, twos)
for i in range(3):
    print(truth[i].item(), ones[i], "|", twos[i])

STARTS = range(20)
runs = [ccs(first, second, start=random_start(seed)) for seed in STARTS]
best = min(runs, key=lambda run: run.loss)
agrees = [agreement(run.belief, truth) for run in runs]
pc = component(first, second)
of_pc = agrees_along(first, second, pc, truth)
random_agrees = [agrees_along(first, second, random_start(100 + seed), truth) for seed in range(40)]
coins = torch.rand(500, len(truth), generator=seeded(0))
guess = sum(agreement(coin, truth) for coin in coins) / len(coins)
plots.bars(
    {
        "CCS, lowest loss<br>of 20 starts": agreement(best.belief, truth),
        "first principal<br>component": of_pc,
        "random directions<br>(mean of 40)": sum(random_agrees) / 40,
    },
    title="Without a label, CCS and PC1 choose the true statement nearly always",
    y="agreement",
    dots={
        "CCS, lowest loss<br>of 20 starts": agrees,
        "random directions<br>(mean of 40)": random_agrees,
    },
    chance=guess,
)

# %% [markdown]
# At its lowest loss CCS finds truth in **0.99** of the pairs. Single starts (dots) differ. The principal component finds truth in **1.00**, without training, a loss, or a start. Random directions with the better sign reach **0.65** on average.
#
# Is it *truth* that they find? A control from lesson 2.1: the same pairs with "not". "The opposite of hot is not cold." names the right answer, and is false. PC1's direction stays as it was.

# %%
not_ones, not_twos, not_truth, _ = pairs_of("opposites", negated="1")
denied_halves = halves(not_ones, not_twos)
sign = 1 if (((first - second) @ pc > 0) == (truth == 1)).float().mean() > 0.5 else -1
chosen = sign * (denied_halves[0] - denied_halves[1]) @ pc > 0
with_not = (chosen == (not_truth == 1)).float().mean().item()
print(f'with "not", PC1 chooses the true statement in {with_not:.2f} of {len(chosen)} pairs')

# %% [markdown]
# It chooses the *false* one in **0.97** of the pairs. So what PC1 finds is "the right answer is named", or that the two words go together. Below, "truth" on these pairs means no more than that.
#
# This looks as if consistency had found it. Has it?

# %% tags=["numbers"]
claim("CCS, lowest loss", agreement(best.belief, truth), text=0.99, within=0.03)
assert min(agrees) < 0.9 and max(agrees) > 0.96
claim("PC1", of_pc, text=1.00, within=0.02)
claim("PC1, with not: the false one", 1 - with_not, text=0.97, within=0.04)
assert 0.53 < guess < 0.57
claim("random directions", sum(random_agrees) / 40, text=0.65, within=0.04)

# %% [markdown]
# ## 3. Can the loss tell truth from random labels?
#
# There are 68 pairs, 136 rows, and the stream has `576` dimensions.
#
# ### Exercise 2 · fit labels (10 minutes, medium)
#
# Given labels of the pairs, solve for the shortest direction whose scores follow them.


# %% tags=["exercise:utils.reading.unsupervised.fit_labelling"]
def fit_labelling(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    labels: Int[Tensor, " pair"],
    *,
    size: float = 10.0,
) -> tuple[Float[Tensor, " d_model"], float]:
    """The shortest direction whose scores follow some labels, and the loss of CCS there.

    Args:
        first, second: normalised halves. Solve for both at once.
        labels: 1 where the first of a pair is to be called true, else 0.
        size: the score `x @ direction` that the one called true should get; the other should get
            `-size`. Where that cannot be met, the squared error is as small as possible.

    Returns:
        The direction of least norm, without a bias; and the loss of CCS there, a number.
    """
    ### BEGIN SOLUTION
    target = size * (2 * labels.to(first) - 1)
    both, targets = torch.cat([first, second]), torch.cat([target, -target])
    direction = torch.linalg.pinv(both) @ targets
    p, q = torch.sigmoid(both @ direction).chunk(2)
    return direction, ((p - (1 - q)) ** 2 + torch.minimum(p, q) ** 2).mean().item()
    ### END SOLUTION


# %% tags=["check"]
fit_labelling = lesson_22.check_fit_labelling(fit_labelling)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# It is one linear system: stack both halves, `[2 * pair, d_model]`, and stack the scores that you want of them, `[2 * pair]`. Labels 0 and 1 become -1 and +1 by `2 * labels - 1`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.linalg.pinv(rows) @ targets` is the solution of least norm. Then `torch.sigmoid(rows @ direction)`, and the loss of exercise 1.
#
# </details>

# %%
predict(
    "22.labels",
    "34 of the 68 pairs are used, with random labels. What loss of CCS does the fit reach?",
    choices=["about 0.25, as with p = 0.5", "about 0.01", "below 0.0001"],
)

# %% [markdown]
# Fit 40 draws of random labels on 34 pairs, and the true labels as well. Then ask each direction about the *other* half: how often does it choose the true statement? (No better sign here: the labels fix the sign.)

# %%
groups = [row["pair"] for row in facts]
out = split_by_group(groups, test=0.5, generator=seeded(0))


def tried(labels: Tensor) -> tuple[float, float]:
    """For labels of the pairs to fit: the loss there, and the share right on the other pairs."""
    direction, loss = fit_labelling(first[~out], second[~out], labels)
    right = ((first - second)[out] @ direction > 0) == (truth[out] == 1)
    return loss, right.float().mean().item()


draw = seeded(0)
n_fit = int((~out).sum())
any_labels = [tried(torch.randint(2, (n_fit,), generator=draw)) for _ in range(40)]
true_labels = tried(truth[~out])
worst, held = max(loss for loss, _ in any_labels), [right for _, right in any_labels]
outcome(
    "22.labels",
    "below 0.0001"
    if worst < 1e-4
    else "about 0.01"
    if worst < 0.05
    else "about 0.25, as with p = 0.5",
)
losses = [run.loss for run in runs]
together = torch.corrcoef(torch.tensor([losses, agrees]))[0, 1].item()
plots.table(
    [
        ("CCS, 20 starts, 250 steps (all pairs)", f"{min(losses):.0e} to {max(losses):.0e}", ""),
        (
            "random labels, solved: worst of 40",
            f"{worst:.0e}",
            f"{sum(held) / 40:.2f} (mean; {min(held):.2f} to {max(held):.2f})",
        ),
        ("true labels, solved", f"{true_labels[0]:.0e}", f"{true_labels[1]:.2f}"),
    ],
    columns=["", "loss of CCS", "right on held-out pairs"],
)

# %% [markdown]
# *Any* labels fit: the worst of 40 random draws has a loss below `0.0001`. (It is not on one scale with CCS's: it was solved for scores of 10 and -10, and CCS ran for 250 steps.) Held out, random labels choose the true statement in **0.51** of the pairs, which is chance; true labels in **1.00**. So a low loss is no *proof* of what was found.
# It is not empty, though: over our 20 starts a lower loss goes with a higher agreement (correlation **-0.73**).
#
# Then why did CCS find truth, from most starts?

# %% tags=["numbers"]
claim("random labels, held out", sum(held) / 40, text=0.51, within=0.05)
claim("true labels, held out", true_labels[1], text=1.00, within=0.13)
claim("loss and agreement", together, text=-0.73, within=0.1)
assert worst < 1e-4 and true_labels[0] < 1e-4

# %% [markdown]
# ## 4. Audit: when does the loss choose?
#
# One suspicion is *size*: gradient descent from a small start moves fastest along directions in which the data vary much, and truth is a large difference here. Another is *room*: 136 rows in `576` dimensions can be fitted with any labels, and fewer dimensions cannot. Which control tells? Shuffled labels: CCS sees no labels. Random directions
# or more starts: they do not say why training works.
#
# **Principal axes** are the directions along which the rows vary most: the first, then the next at right angles to it, and so on; 136 rows have 134 (both halves' means are 0). **Whitening** divides the coordinate along each by its size, so that no direction varies more than another. To whiten *all* 134 is an empty control: the rows' products are then the same for any data, noise too.
# So keep the first *k* axes, whitened, for several k. That takes away size among them, and leaves more or less room.
#
# ### Exercise 3 · build the control (7 minutes, easy)


# %% tags=["exercise:utils.reading.unsupervised.whiten"]
def whiten(
    first: Float[Tensor, "pair d_model"], second: Float[Tensor, "pair d_model"], k: int
) -> tuple[Float[Tensor, "pair k"], Float[Tensor, "pair k"]]:
    """The halves in k coordinates, in which no direction varies more than another.

    The rows of both halves together are rotated to their principal axes: along the first they vary
    most, and so on. The first k are kept, and each coordinate is divided by its size.

    Args:
        first, second: normalised halves, so that the columns' means are 0.

    Returns:
        The two halves in the k coordinates. Their rows together, [2 * pair, k], have
        `rows.T @ rows / len(rows)` equal to the identity.
    """
    ### BEGIN SOLUTION
    both = torch.cat([first, second])
    left, _, _ = torch.linalg.svd(both, full_matrices=False)
    rows = left[:, :k] * len(both) ** 0.5
    return rows[: len(first)], rows[len(first) :]
    ### END SOLUTION


# %% tags=["check"]
whiten = lesson_22.check_whiten(whiten)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.linalg.svd(both, full_matrices=False)` gives left vectors, singular values and right vectors. The left vectors are the rows in principal axes, the largest first, each coordinate already divided by its size.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The columns of the left vectors have length 1. Keep the first k, and multiply by the square root of the number of rows.
#
# </details>

# %%
predict(
    "22.whiten",
    "CCS on the first k axes, whitened: for which k does its lowest loss agree with truth?",
    choices=["for every k", "for small k only", "for large k only", "for none"],
)

# %%
AXES = [3, 10, 20, 40, 60, 134]


def with_axes(k: int, x: Tensor, y: Tensor, labels: Tensor) -> dict:
    """In k whitened axes: CCS from 5 starts, and what noise and random labels do there."""
    white = whiten(x, y, k)
    starts = [random_start(seed, d=k) for seed in range(5)]
    tries = [ccs(*white, start=start, lr=0.05) for start in starts]
    noise = [torch.randn(len(x), k, generator=seeded(seed)) for seed in (0, 1)]
    noise = [normalised(half) for half in noise]
    fits, kept = [], []
    for seed in range(5):
        drawn = torch.randint(2, labels.shape, generator=seeded(50 + seed))
        fits += [fit_labelling(*white, drawn, size=size)[1] for size in (0.25, 0.5, 1, 2, 4, 8)]
        begin, _ = fit_labelling(*white, drawn, size=3.0)
        kept.append(agreement(ccs(*white, start=begin, lr=0.05).belief, drawn))
    return {
        "agrees": [agreement(run.belief, labels) for run in tries],
        "lowest": agreement(min(tries, key=lambda run: run.loss).belief, labels),
        "loss": min(run.loss for run in tries),
        "noise": min(ccs(*noise, start=start, lr=0.05).loss for start in starts[:3]),
        "fits": min(fits),
        "kept": sum(kept) / len(kept),
    }


in_axes = {k: with_axes(k, first, second, truth) for k in AXES}
plots.bars(
    {f"k = {k}": each["lowest"] for k, each in in_axes.items()},
    title="In few dimensions the lowest loss finds truth, in many it does not<br>(all axes equally large; dots: 5 starts; grey: a coin)",
    y="agreement",
    dots={f"k = {k}": each["agrees"] for k, each in in_axes.items()},
    kinds={f"k = {k}": "whitened" for k in AXES},
    chance=guess,
)

# %%
small, large = in_axes[10]["lowest"] > 0.8, in_axes[134]["lowest"] > 0.8
outcome(
    "22.whiten",
    ("for every k" if large else "for small k only")
    if small
    else ("for large k only" if large else "for none"),
)
plots.table(
    [
        (k, *(f"{each[name]:.3f}" for name in ("loss", "noise", "fits")), f"{each['kept']:.2f}")
        for k, each in in_axes.items()
    ],
    columns=["k axes", "lowest loss of CCS", "the same on noise", "lowest fit of random labels"]
    + ["training from random labels keeps"],
)

# %% [markdown]
# With 3 and 10 axes the loss *does* choose. Its lowest value belongs to truth (at k = 10 the agreement is **1.00**), it is lower than on noise, and no random labels come near it. Training that *starts* at random labels leaves them: where it ends agrees with them as a coin does. With 20 axes the same holds, nearly. Size is not needed among these axes, since all are equally large (though it chose *which* axes are kept).
# With 134 axes every labelling fits, training keeps what it started from, and agreement is that of a coin. Between, at 40 and 60, it depends on the start. k was not chosen: all six are shown.
#
# The full space has more dimensions than rows, too, and there CCS did find truth. So is it size, there? Shrink the difference that truth makes, and nothing else. (Labels are used to find that direction. Control: shrink a random one.)

# %%
along_truth = mean_difference(first - second, truth).direction
along = {"truth": along_truth / along_truth.norm(), "random": random_start(7)}
along["random"] = along["random"] / along["random"].norm()
shrunk = {}
for name, factor in (("truth", 1.0), ("truth", 0.5), ("truth", 0.25), ("random", 0.25)):
    v = along[name]
    changed = [half - (1 - factor) * torch.outer(half @ v, v) for half in (first, second)]
    eight = [ccs(*changed, start=random_start(seed)) for seed in range(8)]
    shrunk[name, factor] = [agreement(run.belief, truth) for run in eight]
plots.table(
    [
        (name, factor, f"{sum(each) / 8:.2f}", f"{min(each):.2f} to {max(each):.2f}")
        for (name, factor), each in shrunk.items()
    ],
    columns=["shrunk direction", "times", "agreement of CCS (mean of 8 starts)", "single starts"],
)

# %% [markdown]
# At half its size, CCS finds it less (**0.63**), and at a quarter hardly better than a coin (**0.54**), though it is as consistent as before. So: *in few dimensions the loss chooses; with more dimensions than rows it cannot, and size decides much of what is found.* Language models have more dimensions than most sets of pairs. Two other families, one of which behaves like this one, are in *Going deeper*.
#
# ## 5. Distractors
#
# Truth is not the only property in which the two statements of a pair may differ. Farquhar and colleagues (arXiv 2312.10029) put a **distractor** in front: one statement of each pair begins with "Banana.", the other with "Shed.", at random. Here are four distractors, each with 4 draws of the order, in the full space. All are *perfectly* consistent.

# %%
predict(
    "22.prefix",
    "Which of the four distractors will PC1 find, in the place of truth?",
    choices=["none", "all four", "some: those with more variance than truth"],
)

# %%
PREFIXES = {  # put a pair of your own here
    "Banana. / Shed.": ("Banana. ", "Shed. "),
    "Hello. / Hi.": ("Hello. ", "Hi. "),
    "I like tea. / milk.": ("I like tea. ", "I like milk. "),
    "It is Monday. / Tuesday.": ("It is Monday. ", "It is Tuesday. "),
}
orders = torch.randint(2, (4, len(ones)), generator=seeded(2))


def variance_of(difference: Tensor, labels: Tensor) -> float:
    """Share of the differences' sum of squares along the mean difference that labels give."""
    along = ((2 * labels - 1)[:, None] * difference).mean(0)
    return ((difference @ along / along.norm()) ** 2).sum().item() / (difference**2).sum().item()


def raw(prefix: str) -> Tensor:
    """[half, pair, d_model]: the stream, with a prefix before every statement."""
    texts = [prefix + x for x in (*ones, *twos)]
    return activations(model, texts, layers=LAYER)[LAYER].reshape(2, len(ones), -1)


rows, wins = [], {}
for name, prefixes in PREFIXES.items():
    x, y = (raw(prefix) for prefix in prefixes)
    shares, found, nearer = [], [], 0
    for order in orders:
        heads = (order == 1)[:, None]
        pair = (
            normalised(torch.where(heads, x[0], y[0])),
            normalised(torch.where(heads, y[1], x[1])),
        )
        along = component(*pair)
        both = truth, order
        shares.append([variance_of(pair[0] - pair[1], labels) for labels in both])
        found.append([agrees_along(*pair, along, labels) for labels in both])
        beliefs = [ccs(*pair, start=random_start(seed)).belief for seed in range(2)]
        nearer += sum(agreement(each, order) > agreement(each, truth) for each in beliefs)
    shares, found = (torch.tensor(each).mean(0).tolist() for each in (shares, found))
    wins[name] = (shares, found, nearer)
    rows.append((name, *(f"{value:.2f}" for value in (*shares, *found)), f"{nearer} of 8"))
n_found = sum(found[1] > found[0] for _, found, _ in wins.values())
outcome(
    "22.prefix",
    {0: "none", 4: "all four"}.get(n_found, "some: those with more variance than truth"),
)
plots.table(
    rows,
    columns=["distractor", "variance: truth", "variance: distractor"]
    + ["PC1 agrees: truth", "PC1 agrees: distractor", "CCS starts nearer the distractor"],
)

# %% [markdown]
# PC1 finds the distractor where that has the larger variance, and truth where truth has. Being consistent does not decide, since all four distractors are. CCS does not follow the variances so strictly: it ends nearer the distractor in most runs, also where truth has twice its variance.
#
# So what an unlabelled method finds depends on what else differs within the pairs. Whether it is truth has to be asked with labels, or with something else that you know.

# %% tags=["numbers"]
claim("CCS, 10 axes", in_axes[10]["lowest"], text=1.00, within=0.03)
for k in (3, 10, 20):
    each = in_axes[k]
    assert min(each["agrees"]) > 0.85 and each["kept"] < 0.63, k
    assert each["loss"] < min(each["noise"], each["fits"]) and each["fits"] > 0.1
assert max(in_axes[134]["agrees"]) < 0.7 and in_axes[134]["kept"] > 0.97
assert in_axes[134]["loss"] < 0.001 and in_axes[134]["fits"] < 0.001
halved, quarter = (sum(shrunk["truth", factor]) / 8 for factor in (0.5, 0.25))
claim("CCS, truth at half its size", halved, text=0.63, within=0.08)
claim("CCS, truth at a quarter", quarter, text=0.54, within=0.05)
assert sum(shrunk["random", 0.25]) / 8 > 0.85
for shares, found, _ in wins.values():
    assert (shares[1] > shares[0]) == (found[1] > found[0]) and max(found) > 0.9
assert 0 < n_found < 4
by_size = [n for shares, _, n in sorted(wins.values(), key=lambda each: each[0][1])]
assert min(by_size[2:]) >= 6 and sum(by_size) > 20

# %% [markdown]
# ## 6. Three discoveries
#
# ### Investigation · what did each find? (10 minutes, medium)
#
# Three probes without labels, A, B and C, were trained on 80 pairs of another family, *kinds* ("A robin is a kind of bird."). Each reached a loss below `0.001`. Each has found one of four things, under one sign or the other (two may have found the same):
#
# - `"truth"`: the true statement;
# - `"list"`: the statement whose *last word* is bird, fish, insect, fruit or vegetable (in each pair, just one is);
# - `"alphabet"`: the statement whose last word comes first in the alphabet;
# - `"random"`: nothing; its training began at a direction fitted to random labels.
#
# Reading statements is free. `look("A", 5)` says which statement of pair 5 probe A prefers, and costs one of 12 looks for all three probes together. The sign is unknown for each. A probe that found a concept agrees with it on every pair. Plan first: at which pairs do the four differ? Answer with a dictionary from "A", "B" and "C" to the names.
# Ten pairs are shown; `kind_ones[i]` and `kind_twos[i]` are the statements of the others.

# %% tags=["folded"]
# The pairs, and the probes.
kind_ones, kind_twos, kind_truth, kind_rows = pairs_of("kinds")
kinds = halves(kind_ones, kind_twos, layer=12)
hidden = {}
for name in "ABC":
    seed, labelled = lesson_22.hidden(name)
    start = random_start(seed)
    if labelled:
        labels = torch.randint(2, (len(kind_ones),), generator=seeded(seed))
        start, _ = fit_labelling(*kinds, labels)
    hidden[name] = ccs(*kinds, start=start)
looks, SHOWN = [], [0, 1, 2, 3, 5, 7, 10, 11, 12, 13]


def look(name: str, pair: int) -> None:
    """Prints the pair, and which of the two this probe prefers; 12 times."""
    if len(looks) >= 12:
        print("The budget is spent: decide.")
        return
    looks.append((name, pair))
    two = [kind_ones[pair], kind_twos[pair]]
    chosen = 0 if hidden[name].belief[pair] > 0.5 else 1
    print(f"{12 - len(looks)} left. {name} prefers {two[chosen]!r} to {two[1 - chosen]!r}")


# %%
plots.table(
    [(i, kind_ones[i], kind_twos[i]) for i in SHOWN],
    columns=["pair", "one statement", "the other"],
)

# %%
look("A", 0)

# %% tags=["answer:discovered"]
### BEGIN SOLUTION
discovered = {"A": "list", "B": "random", "C": "truth"}
### END SOLUTION

# %% tags=["check"]
discovered = lesson_22.check_discovered(discovered)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# With "An oak is a kind of ...", truth and the list prefer different statements; with "A robin is a kind of ...", the same one. Compare *two looks* of one probe: the unknown sign drops out.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Choose four pairs for which the three concepts give three different patterns, such as (same, other, other), and look at them with each probe. What fits no pattern is random. After four looks, random labels still fit a given pattern with a chance of one in eight; after six, of one in 32.
#
# </details>

# %%
list_words = {"bird", "fish", "insect", "fruit", "vegetable"}
concepts = {
    "truth": kind_truth,
    "list": torch.tensor([int(row["shown"] in list_words) for row in kind_rows]),
    "alphabet": torch.tensor(
        [int(x.split()[-1] < y.split()[-1]) for x, y in zip(kind_ones, kind_twos, strict=True)]
    ),
}
plots.table(
    [
        (name, discovered[name], f"{run.loss:.0e}")
        + tuple(f"{agreement(run.belief, labels):.2f}" for labels in concepts.values())
        for name, run in hidden.items()
    ],
    columns=["probe", "found", "loss", *concepts],
)

# %% [markdown]
# Read the losses. The lowest belongs to random labels, the next to the list, and the highest to truth. The list was no one's plan: when the first edition of this course paired the kinds, it put one kind of five on each side, and only CCS noticed.

# %% tags=["numbers"]
agree = {
    name: {kind: agreement(run.belief, labels) for kind, labels in concepts.items()}
    for name, run in hidden.items()
}
assert all(run.loss < 1e-3 for run in hidden.values())
assert hidden["B"].loss < hidden["A"].loss < hidden["C"].loss
assert agree["A"]["list"] == agree["C"]["truth"] == 1.0
assert max(agree["B"].values()) < 0.7
assert discovered == {"A": "list", "B": "random", "C": "truth"}

# %% [markdown]
# ## Going deeper: two other families
#
# We chose opposites because CCS works there. Capitals and cities, in the full space and in whitened axes:

# %%
families = {}
for name in ("capitals", "cities"):
    one, two, labels, _ = pairs_of(name)
    both = halves(one, two)
    six = [ccs(*both, start=random_start(seed)) for seed in range(6)]
    kept_at = {}
    for k in (10, 60):
        white = whiten(*both, k)
        tries = [ccs(*white, start=random_start(s, d=k), lr=0.05) for s in range(3)]
        kept_at[k] = agreement(min(tries, key=lambda run: run.loss).belief, labels)
    families[name] = {
        "PC1": agrees_along(*both, component(*both), labels),
        "mean of 6 starts": sum(agreement(run.belief, labels) for run in six) / 6,
        "lowest loss": agreement(min(six, key=lambda run: run.loss).belief, labels),
        **{f"k = {k}": value for k, value in kept_at.items()},
    }
plots.table(
    [(name, *(f"{x:.2f}" for x in each.values())) for name, each in families.items()],
    columns=["agreement with truth", *families["capitals"]],
)

# %% [markdown]
# On cities nothing works. On capitals PC1 finds nothing, CCS in the full space something, and CCS in 10 whitened axes most: **0.84**, with a loss that chooses. With 60 axes that is gone.
#
# **Task.** Do the same for `kinds` at layer 12 (`halves(..., layer=12)`). Which concept of section 6 do few dimensions find?

# %% tags=["numbers"]
claim("capitals, 10 axes", families["capitals"]["k = 10"], text=0.84, within=0.06)
assert families["capitals"]["PC1"] < 0.6 and families["capitals"]["k = 60"] < 0.65
assert 0.55 < families["capitals"]["mean of 6 starts"] < families["capitals"]["k = 10"]
assert max(families["cities"].values()) < 0.67

# %% [markdown]
# ## Going deeper: which part of block 14?
#
# Between the layers 14 and 15 the reading of sentences with "not" turns round. What writes the turn: attention, the MLP, one head? Patch: while a sentence with "not" runs, let one head write what it writes in the same sentence with "really", which is as long. Then see what the fixed direction reads before block 16.
#
# ### Exercise 4 · patch every head (15 minutes, medium)


# %% tags=["exercise:utils.reading.erasure.patch_heads"]
def patch_heads(
    model,
    tokens: Int[Tensor, "batch pos"],
    other: Int[Tensor, "batch pos"],
    lengths: Int[Tensor, " batch"],
    direction: Float[Tensor, " d_model"],
    *,
    layers: Sequence[int],
    read: int,
) -> Float[Tensor, "layer head batch"]:
    """What a fixed direction reads when one head at a time writes what it writes in other texts.

    At each row's last token, one head's output (`blocks.L.attn.hook_z`, [batch, pos, head, d_head])
    is replaced by its output in `other`. All else runs on.

    Args:
        tokens, other: as long as each other row by row, padded on the right; row i has
            `lengths[i]` tokens.
        layers: the blocks whose heads are patched, each head alone.
        read: the product of `direction` with the residual stream before this block is read, at
            the last token.
    """
    ### BEGIN SOLUTION
    rows, last = torch.arange(len(tokens)), lengths - 1
    names = [f"blocks.{layer}.attn.hook_z" for layer in layers]
    scores = torch.zeros(len(names), model.cfg.n_heads, len(tokens))
    with torch.no_grad():
        _, cache = model.run_with_cache(other, names_filter=names, stop_at_layer=read)
        for i, name in enumerate(names):
            for head in range(model.cfg.n_heads):

                def patch(z, hook, head=head):
                    z = z.clone()
                    z[rows, last, head] = cache[hook.name][rows, last, head]
                    return z

                with model.hooks(fwd_hooks=[(name, patch)]):
                    resid = model(tokens, stop_at_layer=read)
                scores[i, head] = resid[rows, last] @ direction
    return scores
    ### END SOLUTION


# %% tags=["check"]
patch_heads = lesson_22.check_patch_heads(patch_heads)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First `model.run_with_cache(other, names_filter=names, stop_at_layer=read)`. Then two loops, over layers and heads: a hook replaces `z[rows, last, head]`, and `model(tokens, stop_at_layer=read)` gives the stream before block `read`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `rows = torch.arange(len(tokens))`, `last = lengths - 1`. A hook made in a loop sees the loop's *last* head unless it gets it as a default argument: `def patch(z, hook, head=head)`.
#
# </details>

# %%
own = [word for word, out_ in zip(words, unseen, strict=True) if out_]


def batch(sentence: str, some: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Tokens, padded on the right, and lengths."""
    found = tokens_of(model, [sentence.format(word) for word in some])
    padded = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
    return padded, torch.tensor([len(row) for row in found], device=padded.device)


direction = direction_at(LAYER)
BLOCKS = [13, 14, 15]
denied, lengths = batch(SENTENCES["not"], own)
patched = patch_heads(
    model,
    denied,
    batch(SENTENCES["really"], own)[0],
    lengths,
    direction.to(device),
    layers=BLOCKS,
    read=LAYER,
).cpu()
y = good[unseen]
unit = gap("plain", direction)[LAYER]
moved = (patched[..., y == 1].mean(-1) - patched[..., y == 0].mean(-1)) / unit
before = (gap("not", direction)[LAYER] / unit).item()
plots.heatmap(
    moved - before,
    title=f"Patching head 14.2 undoes about half of the turn<br>(the gap was {before:.2f}; colours: its change when one head is patched)",
    x="head",
    y="layer",
    rows=[str(block) for block in BLOCKS],
    label="change of the gap",
    signed=True,
)

# %% [markdown]
# The same for whole parts: all of a block's attention, or its MLP.


# %%
names = [f"blocks.{block}.hook_{part}_out" for block in BLOCKS for part in ("attn", "mlp")]
ends_at = (torch.arange(len(denied)), lengths - 1)
with torch.no_grad():
    _, cache = model.run_with_cache(
        batch(SENTENCES["really"], own)[0], names_filter=names, stop_at_layer=LAYER
    )


def part_patched(block: int, part: str) -> float:
    """The gap when a part's output at the last token is that of the sentence with "really"."""
    name = f"blocks.{block}.hook_{part}_out"

    def patch(out, hook):
        out = out.clone()
        out[ends_at] = cache[name][ends_at]
        return out

    with torch.no_grad(), model.hooks(fwd_hooks=[(name, patch)]):
        x = model(denied, stop_at_layer=LAYER)[ends_at].cpu() @ direction
    return ((x[y == 1].mean() - x[y == 0].mean()) / unit).item()


parts = {block: [part_patched(block, part) for part in ("attn", "mlp")] for block in BLOCKS}
plots.table(
    [(block, *(f"{value:+.2f}" for value in values)) for block, values in parts.items()],
    columns=["block", f"gap with attention patched (was {before:+.2f})", "with MLP patched"],
)

# %%
at_not = len(tokens_of(model, ["I think that our hotel is not"])[0]) - 1
with torch.no_grad():
    pattern = "blocks.14.attn.hook_pattern"
    _, looked = model.run_with_cache(denied, names_filter=[pattern], stop_at_layer=LAYER)
looks_at = looked[pattern][ends_at[0], 2, lengths - 1].cpu()
places = {
    "the word": sum(
        row[at_not + 1 : n - 1].sum() for row, n in zip(looks_at, lengths.tolist(), strict=True)
    )
    / len(own),
    '"not"': looks_at[:, at_not].mean(),
    "the first token": looks_at[:, 0].mean(),
}
print("head 14.2 attends to", {name: round(float(value), 2) for name, value in places.items()})

# %% [markdown]
# It is attention: block 14's brings the gap from **-0.63** to **0.52**, and its head `14.2` alone to **0.25**, about half of the distance to 1. The MLP of block 14 moves it less, the parts of the blocks 13 and 15 little.
#
# Where does this head find the turned sentiment? It attends mostly to the word itself (**0.47** of its attention), and little to "not" (**0.07**). So block 14 is where the *full stop* gets it, and not where "not" and the word meet. To find that, patch the stream at other positions
# (question 3 below).

# %% tags=["numbers"]
claim("gap before patching", before, text=-0.63, within=0.06)
claim("gap with head 14.2 patched", moved[1, 2], text=0.25, within=0.035)
assert (moved - before)[[0, 2]].abs().max() < (moved[1, 2] - before) / 6
claim("attention to the word", float(places["the word"]), text=0.47, within=0.07)
claim("attention to not", float(places['"not"']), text=0.07, within=0.01)
claim("gap with attention of block 14 patched", parts[14][0], text=0.52, within=0.06)
assert before < parts[14][1] < 0
assert max(max(parts[13]), max(parts[15])) < before + 0.2
assert int((moved - before).argmax()) == model.cfg.n_heads + 2

# %% [markdown]
# ## Going deeper: erase what a probe reads
#
# The other side of probing: take the concept *out*, so that no linear probe finds it, and change as little else as possible. If what the model says does not change, it did not need what the probe read there. **LEACE** (Belrose and colleagues, arXiv 2306.03819) has a closed form. The obvious edit is to project out the difference of means *c*.
# LEACE also removes along *c*. But it reads *how much* to remove with another direction u, chosen so that, of all edits that remove the covariance with the concept, it changes the activations least. An `Eraser` is a mean and a matrix: `x` becomes `x - (x - mean) @ matrix.T`.
#
# ### Exercise 5 · LEACE (10 minutes, medium)


# %% tags=["exercise:utils.reading.erasure.leace"]
def leace(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"], *, shrink: float = 0.05) -> Eraser:
    """Least-squares concept erasure: no linear probe finds `y` in the rows that it was fitted on.

    With the covariance S of `x` and the covariance c of `x` with `y`: `matrix` is the outer product
    of c and u, divided by `c @ u`, where u solves `S u = c`. Of all edits that
    remove the covariance with `y`, it changes `x` least.

    Args:
        y: 0 and 1.
        shrink: that share of S is replaced by the identity times the mean of S's diagonal: S of
            fewer rows than dimensions has no inverse. At 1 what goes is the difference of means.

    Returns:
        `Eraser(mean, matrix)`, the mean of `x` and the matrix in `x - (x - mean) @ matrix.T`.

    Source: Belrose et al., 2023 (arXiv 2306.03819), for one concept of two values.
    """
    ### BEGIN SOLUTION
    mean = x.mean(0)
    centred, labels = x - mean, y.to(x) - y.to(x).mean()
    c = centred.T @ labels / len(x)
    S = centred.T @ centred / len(x)
    identity = torch.eye(len(c), dtype=x.dtype, device=x.device)
    S = (1 - shrink) * S + shrink * S.diagonal().mean() * identity
    u = torch.linalg.solve(S, c)
    return Eraser(mean, torch.outer(c, u) / (c @ u))
    ### END SOLUTION


# %% tags=["check"]
leace = lesson_22.check_leace(leace)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Centre `x` and `y`. The covariance of the two is `c = centred.T @ labels / n`, and that of `x` is `S = centred.T @ centred / n`. Shrink `S` before you use it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.linalg.solve(S, c)` is `u`; `torch.outer(c, u) / (c @ u)` is the matrix: first `u` reads the concept, then `c` is taken away.
#
# </details>

# %% [markdown]
# "No linear probe finds it" holds for the rows that the eraser was fitted on. We have 40 words for it, and `576` dimensions. Is it gone from other words, too? The right test is a *new* probe, trained on erased activations of 20 other words, and tested on the last 20. (A probe trained on the rows of the eraser would find nothing, since nothing is left there, and say nothing about other words.)
#
# Then the run itself: erase while the model reads "The movie was wonderful. I felt very", at the last token, before one block or before every block from there on.
#
# ### Exercise 6 · erase while the model runs (15 minutes, hard)


# %% tags=["exercise:utils.reading.erasure.erase_while_running"]
def erase_while_running(
    model,
    tokens: Int[Tensor, "batch pos"],
    lengths: Int[Tensor, " batch"],
    labels: Int[Tensor, " batch"],
    *,
    layers: Sequence[int],
    fit: Callable[[Tensor, Tensor], Sequence[Tensor]],
    fit_rows: Bool[Tensor, " batch"],
) -> tuple[dict[int, Float[Tensor, "batch d_model"]], Float[Tensor, "batch d_vocab"]]:
    """Run a model, and erase a concept at the last token of each row, before each of some blocks.

    Before each block of `layers`, an eraser is fitted on the stream as it comes there, that is
    after what earlier blocks' erasers did, and applied to all rows at their last tokens.

    Args:
        tokens: padded on the right; row i has `lengths[i]` tokens.
        fit: `fit(x, y)` gives a mean and a matrix: `x - (x - mean) @ matrix.T` is erased.
        fit_rows: True for the rows that erasers may be fitted on, with their labels.

    Returns:
        For every block of the model, the stream before it at the last tokens, after erasing; and
        the logits at the last tokens.
    """
    ### BEGIN SOLUTION
    rows, last, streams = torch.arange(len(tokens)), lengths - 1, {}

    def edit(resid, hook):
        layer = int(hook.name.split(".")[1])
        x = resid[rows, last]
        if layer in layers:
            mean, matrix = fit(x[fit_rows], labels[fit_rows])
            x = x - (x - mean) @ matrix.T
            resid = resid.clone()
            resid[rows, last] = x
        streams[layer] = x
        return resid

    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, edit) for name in names])
    return streams, logits[rows, last]
    ### END SOLUTION


# %% tags=["check"]
erase_while_running = lesson_22.check_erase_while_running(erase_while_running)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# One hook serves all blocks: `hook.name.split(".")[1]` is its block. Take `x = resid[rows, last]`, edit it where the block is one of `layers`, write it into a clone of `resid`, and keep it in a dictionary.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `mean, matrix = fit(x[fit_rows], labels[fit_rows])` inside the hook: so it is fitted on what earlier erasers left. `model.run_with_hooks(tokens, fwd_hooks=[(name, edit) for name in names])` gives the logits; take `[rows, last]`.
#
# </details>

# %% [markdown]
# First what is to be erased: does the model take sentiment, and "not", into what it says next? Let it go on: "I think that our hotel is not wonderful. I felt very". The number is the log probability of happy words minus that of sad words.

# %%
HAPPY, SAD = [" happy", " pleased", " glad"], [" sad", " disappointed", " angry"]


def word_tokens(some: list[str]) -> list[int]:
    return [int(model.to_tokens(word, prepend_bos=False)[0, 0]) for word in some]


def feeling(logits: Float[Tensor, "text d_vocab"]) -> Float[Tensor, " text"]:
    """Log probability of the happy words minus that of the sad ones."""
    log_p = logits.cpu().log_softmax(-1)
    happy, sad = (log_p[:, word_tokens(some)].logsumexp(1) for some in (HAPPY, SAD))
    return happy - sad


said = {
    name: feeling(next_logits(model, [SENTENCES[name].format(w) + " I felt very" for w in words]))
    for name in ("plain", "not")
}
drop = said["plain"] - said["not"]
of_words = {"good words": good == 1, "bad words": good == 0}
plots.table(
    [
        (
            name,
            *(f"{said[kind][own].mean():+.2f}" for kind in said),
            "{:+.2f} ({:+.2f} to {:+.2f})".format(drop[own].mean(), *bootstrap(drop[own])),
        )
        for name, own in of_words.items()
    ],
    columns=["log p(happy) - log p(sad)", "plain", 'with "not"', "difference, word by word (95%)"],
)

# %% [markdown]
# "Not" changes what the model says next, in opposite ways for good and for bad words. Now erase sentiment from "The movie was wonderful. I felt very".

# %%
asked, ends = batch("The movie was {}. I felt very", list(words))
order = torch.randperm(len(words), generator=seeded(1)).tolist()
part = torch.zeros(len(words), dtype=torch.long)
part[order[40:60]], part[order[60:]] = 1, 2  # 40 words for the eraser, 20 and 20 for new probes


def by_means(x, y):
    """Projects out the difference of means."""
    return leace(x, y, shrink=1.0)


fresh, shuffles = seeded(0), seeded(1)


def by_chance(x, y):
    """Projects out a random direction, another one at every call."""
    v = torch.randn(x.shape[1], generator=fresh).to(x)
    return Eraser(x.mean(0), torch.outer(v, v) / (v @ v))


def readable(x: Tensor, y: Tensor = good) -> float:
    """AUC of new probes on words that neither they nor the eraser were fitted on."""
    x, found = x.cpu(), []
    for train, test in ((1, 2), (2, 1)):
        probe = logistic(x[part == train], y[part == train])
        found.append(auc(probe.scores(x[part == test]), y[part == test]))
    return sum(found) / 2


def erase(layers: Sequence[int], fit: Callable, y: Tensor = good) -> tuple[dict, float]:
    """The streams, and the difference between good and other bad words in what is said."""
    inside, logits = erase_while_running(
        model, asked, ends, y.to(device), layers=layers, fit=fit, fit_rows=(part == 0).to(device)
    )
    says, rest = feeling(logits), part > 0
    return inside, (says[rest & (good == 1)].mean() - says[rest & (good == 0)].mean()).item()


ALL = range(LAYER, model.cfg.n_layers)
RUNS = {
    "nothing": ([], leace),
    "LEACE, before block 16": ([LAYER], leace),
    "LEACE, before each block from 16": (ALL, leace),
    "difference of means, each block": (ALL, by_means),
    "random directions, each block": (ALL, by_chance),
}
shown, gaps = [], {}
for name, (layers, fit) in RUNS.items():
    inside, says = erase(layers, fit)
    gaps[name] = [says, *(readable(inside[layer]) for layer in (LAYER, LAYER + 1, 29))]
    if name == "LEACE, before block 16":
        erased_16 = inside[LAYER]
    shown.append((name, *(f"{x:.2f}" for x in gaps[name][1:]), f"{says:+.2f}"))
shuffled = {}
for name, fit in (("LEACE", leace), ("difference of means", by_means)):
    draws = [good[torch.randperm(len(good), generator=seeded(seed))] for seed in range(4)]
    shuffled[name] = [erase(ALL, fit, y)[1] for y in draws]
    values = ", ".join(f"{x:+.2f}" for x in shuffled[name])
    shown.append((f"{name}, each block, shuffled labels (4)", "", "", "", values))
plots.table(
    shown,
    columns=[
        "erased at the last token",
        "new probe, layer 16",
        "layer 17",
        "layer 29",
        "happy - sad, good - bad words",
    ],
)

# %%
by_luck = [
    readable(erased_16, good[torch.randperm(len(good), generator=shuffles)]) for _ in range(30)
]
low, high = torch.tensor(by_luck).quantile(torch.tensor([0.05, 0.95])).tolist()
print(f"new probes of shuffled labels: {low:.2f} to {high:.2f} (5th to 95th of 30)")

# %% [markdown]
# Four results.
#
# - **Hardly readable from other words.** Erased from 40 words, the concept is read from others by a new probe with an AUC of **0.66** (`1.0` before). Probes of shuffled labels reach up to **0.67** by luck. So it is mostly gone; whether all is, 40 words cannot tell.
# - **One block later it is back.** Later heads copy it again from earlier tokens, so one erasure at one token changes what the model says by little. A probe that finds nothing at one layer does not show that the model has no access.
# - **Erased before every block, it no longer decides.** The difference between good and bad words in what the model says falls to a small part. Random directions, a fresh one at each block, change nothing.
# - **LEACE does less other damage.** Fitted on *shuffled* labels, an eraser should take away nothing that matters. LEACE leaves the difference as it was in all four draws. Projecting out the difference of means, which removes sentiment as well as LEACE does, removes much of it in one draw of four with labels that mean nothing.

# %% tags=["numbers"]
none, once, always, means, chance = gaps.values()
claim("new probe after LEACE", once[1], text=0.66, within=0.09)
claim("new probes of shuffled labels, 95th percentile", high, text=0.67, within=0.09)
assert none[1] > 0.98 and once[2] > 0.95 and once[0] > 0.8 * none[0]
assert always[0] < 0.3 * none[0] and means[0] < 0.3 * none[0] and chance[0] > 0.9 * none[0]
assert min(shuffled["LEACE"]) > 0.85 * none[0]
assert min(shuffled["difference of means"]) < 0.6 * none[0]
assert bootstrap(drop[good == 1])[0] > 1 and bootstrap(drop[good == 0])[1] < -1

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "gap with not, before block 15",
            f"{kept('not', 16)[7]:.2f}",
            f"not only: {kept('not only', 16)[7]:.2f}",
            "",
        ),
        (
            "CCS, agreement with truth (lowest loss of 20)",
            f"{agreement(best.belief, truth):.2f}",
            f"PC1 {of_pc:.2f}; random directions {sum(random_agrees) / 40:.2f}; a coin {guess:.2f}",
            "6 models, 10 data sets: 4% above zero-shot on average (Burns et al.)",
        ),
        ("PC1 on the same pairs with not", f"{with_not:.2f}", f"without: {of_pc:.2f}", ""),
        (
            "CCS in 10 whitened axes, lowest loss",
            f"{in_axes[10]['lowest']:.2f}",
            f"134 axes: {in_axes[134]['lowest']:.2f}",
            "",
        ),
        (
            "PC1 with Banana / Shed: the distractor",
            f"{wins['Banana. / Shed.'][1][1]:.2f}",
            f"truth {wins['Banana. / Shed.'][1][0]:.2f}",
            "CCS and PC1 find it, Chinchilla-70B (Farquhar et al.)",
        ),
        (
            "happy - sad after LEACE at each block",
            f"{gaps['LEACE, before each block from 16'][0]:.2f}",
            f"nothing erased {gaps['nothing'][0]:.2f}; random directions {gaps['random directions, each block'][0]:.2f}",
            "",
        ),
    ],
    columns=["", "ours (SmolLM2-135M-Instruct)", "control", "paper's, with its model"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. Burns's pairs are one question with "Yes" and "No". Which properties besides truth differ within *each* such pair?
# 2. Could a loss be added that truth satisfies and a banana does not? What would you have to know about truth?
# 3. In the sentence with "not", patch the stream at the *word* from the sentence with "really", layer by layer. At which layer does the full stop's reading come back?
# 4. A company erases "gender" by LEACE at one layer, and reports that probes find nothing there. What do you ask?
#
# ## Common mistakes
#
# - Fitting a direction again at each layer, and crediting a block with the change.
# - Reporting the best of many starts, or the better sign, without saying so.
# - Taking a low loss without labels as proof of what was found, with more dimensions than rows.
# - Testing an erasure with a probe trained on the rows that it was fitted on.
# - Erasing at one token of one layer, and concluding that the model does not use the concept.
#
# ## Where this breaks
#
# One small model, and one family of pairs on which CCS works well. The sentences are templates. The axes that are kept are those along which the rows vary most, so size still chose *them*: truth could lie outside. "Truth" was tested on statements with "not" for PC1 alone.
# What the distractor's variance predicts is PC1 by construction, nearly; CCS it does not predict.
#
# ## Further reading
#
# - Burns, Ye, Klein and Steinhardt (2022), *Discovering Latent Knowledge in Language Models Without Supervision*, arXiv 2212.03827
# - Farquhar et al. (2023), *Challenges with unsupervised LLM knowledge discovery*, arXiv 2312.10029
# - Belrose et al. (2023), *LEACE: Perfect linear concept erasure in closed form*, arXiv 2306.03819
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.1 · A probe that looks like truth](21_a_probe_that_looks_like_truth.ipynb) | **Next:** [2.3 · World models: a board that the model was never shown](23_world_models.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/21_a_probe_that_looks_like_truth.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/23_world_models.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("22")
