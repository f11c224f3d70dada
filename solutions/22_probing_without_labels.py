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
# 3. build the controls that tell when such a probe's loss chooses what it finds, and when it cannot;
# 4. erase a concept from activations (LEACE), and measure how much of it is left.
#
# **Time** 60 minutes for the core, and 65 minutes for *Going deeper*. **Needs** lesson 2.1: probes, splits by group.
# **Runs** in about 90 seconds on a laptop's processor.
#
# **First, play.** The third cell scores sentences along *one fixed direction*: the mean of sentences with good words minus that of sentences with bad words, in the residual stream before block 16. It never saw a "not".
# The stream of *every* layer is projected on it. The scale is set at each layer by other words in plain sentences: +1 is the mean of the good ones, -1 that of the bad ones. Run it, then change `TEXTS`. Which sentences does the direction get right, and from which layer on?

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
from utils.reading.unsupervised import Found, agreement, normalised, whiten
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
# Three sentences are an anecdote. So take 32 words that the direction was not fitted on, in a sentence that it was not fitted on. The **gap** is the mean score of the good words minus that of the bad words.
# The figure divides the gap with "not" by the gap without: at 1 "not" changes nothing, below 0 the reading has turned round. If the direction were fitted again at each layer, a turn might come from the *direction*, and not from the activations. So it is fitted once, at one layer; a second one, fitted at another layer, stands beside it.
# The control is "not only", which has a "not" and keeps the meaning.


# %%
def gap(name: str, direction: Tensor) -> Tensor:
    """[layer]: mean score of unseen good words minus that of unseen bad words."""
    x, y = streams[name][:, unseen] @ direction, good[unseen]
    return x[:, y == 1].mean(1) - x[:, y == 0].mean(1)


def kept(name: str, layer: int) -> list[float]:
    """From layer 8 on: the gap in these sentences, in units of the plain sentences' gap."""
    direction = direction_at(layer)
    return (gap(name, direction) / gap("plain", direction))[8:].tolist()


turn = plots.lines(
    {
        '"not", direction of layer 12': kept("not", 12),
        '"not", direction of layer 16': kept("not", LAYER),
        'control: "not only", layer 16': kept("not only", LAYER),
    },
    title="The gap along two fixed directions: where does it change its sign?",
    x="layer (at the full stop)",
    y="gap with not / gap without",
    at=list(range(8, 21)),
    chance=0,
)
turn.update_traces(line={"color": "#777", "width": 1.5}, selector={"line.dash": "dot"})

# %% [markdown]
# *Layer 14* is the stream before block 14, and layer 15 the stream after it. At layer 14 the gap is still positive, at layer 15 it is **-0.61** (direction of layer 16): block 14 turns the reading round. The direction of layer 12, similar but not the same (cosine **0.65**), agrees. "Not only" stays positive. (Which part of block 14 does it, and whether what the model says next changes, too: *Going deeper*.)
#
# These directions were fitted with labels. What if you have none?

# %% tags=["numbers"]
claim("gap at layer 15, direction of 16", kept("not", 16)[7], text=-0.61, within=0.06)
claim("cosine", (direction_at(12) @ direction_at(16)).item(), text=0.65, within=0.05)
for at in (12, 16):
    assert kept("not", at)[6] > 0 and max(kept("not", at)[7:]) < -0.1
assert min(kept("not only", 16)) > 0.4

# %% [markdown]
# ## 2. CCS: a probe that agrees with itself
#
# **Contrast-consistent search** (CCS; Burns and colleagues, arXiv 2212.03827) takes *pairs* of statements of which just one is true. It does not know which. It looks for a direction and a bias so that the two probabilities fit together:
#
# - *consistency*: `p(first) = 1 - p(second)`;
# - *confidence*: the smaller of the two is near 0, so that "a half for each" is no solution.
#
# Both are squared and added, and the mean over the pairs is the loss; where all probabilities are a half, it is `0.25`. Before that, each half is **normalised** by itself (given: `normalised` subtracts its mean and divides by its standard deviation): without that, a probe could read whatever all first halves share.
# In Burns's paper the two halves are one question with both answers, such as "Is cold the opposite of hot? Yes" and "Is cold the opposite of hot? No". Ours are two endings of "The opposite of hot is ...", in random order: 68 pairs, read at the full stop. We chose them because CCS works on them; on two other families it works less well, or not at all (*Going deeper*).
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
# **Agreement** is the share of pairs in which the belief and the labels choose alike. CCS cannot know which sign means true, so the better sign counts: even a coin agrees in about `0.55` of 68 pairs. Beside CCS stand two methods without training:
# the **first principal component** (PC1) of the differences of the two halves, that is, the direction along which they vary most (Burns and colleagues call this CRC); and 40 random directions.
#
# CCS is run from several starts, and the one with the lowest loss is reported (the bar; each start is a dot).


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
for i in (2, 3, 4):  # 1: the first of the pair is true
    print(truth[i].item(), ones[i], "|", twos[i])

runs = [ccs(first, second, start=random_start(seed)) for seed in range(12)]
best = min(runs, key=lambda run: run.loss)
agrees = [agreement(run.belief, truth) for run in runs]
pc = component(first, second)
of_pc = agrees_along(first, second, pc, truth)
random_agrees = [agrees_along(first, second, random_start(100 + seed), truth) for seed in range(40)]
coins = torch.rand(500, len(truth), generator=seeded(0))
guess = sum(agreement(coin, truth) for coin in coins) / len(coins)
found = plots.bars(
    {
        "CCS, lowest loss<br>of 12 starts": agreement(best.belief, truth),
        "first principal<br>component": of_pc,
        "random directions<br>(mean of 40)": sum(random_agrees) / 40,
    },
    title="Without a label, CCS and PC1 choose the true statement nearly always",
    y="agreement",
    dots={
        "CCS, lowest loss<br>of 12 starts": agrees,
        "random directions<br>(mean of 40)": random_agrees,
    },
    chance=guess,
)
COIN = {"text": "a coin", "xref": "paper", "x": 1, "xanchor": "left", "showarrow": False}
found.add_annotation(**COIN, y=guess).update_layout(margin_r=60)

# %% [markdown]
# At its lowest loss CCS finds truth in **0.99** of the pairs. The principal component finds it in **1.00**, without training or a loss. Random directions with the better sign reach **0.65** on average.
#
# Is it *truth* that they find? A control from lesson 2.1: the same pairs with "not". "The opposite of hot is not cold." names the right answer, and is false. Here is what PC1 of the plain pairs chooses in them.

# %%
not_ones, not_twos, not_truth, _ = pairs_of("opposites", negated="1")
denied_halves = halves(not_ones, not_twos)
sign = 1 if (((first - second) @ pc > 0) == (truth == 1)).float().mean() > 0.5 else -1
chosen = sign * (denied_halves[0] - denied_halves[1]) @ pc > 0
with_not = (chosen == (not_truth == 1)).float().mean().item()
print(f'with "not", PC1 chooses the true statement in {with_not:.2f} of {len(chosen)} pairs')

# %% [markdown]
# It chooses the *false* one in **0.97** of the pairs. So PC1 finds "the right answer is named", or that the two words go together. (CCS, which we do not test so, chooses as PC1 does in nearly all plain pairs.) Below, "truth" on these pairs means no more than that.
#
# CCS asks for consistency, and it found truth. Did its loss choose truth?

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
    "All 68 pairs get random labels. What loss of CCS does the fitted direction have?",
    choices=["about 0.25, as with p = 0.5", "about 0.01", "below 0.001"],
)

# %% [markdown]
# Fit 40 draws of random labels, and the true labels. The larger the scores, the smaller the loss. To compare like with like, ask for scores as large as those that CCS ended with.

# %%
draw = seeded(0)
size = best.belief.logit().abs().mean().item()
solved = [
    fit_labelling(first, second, torch.randint(2, (len(truth),), generator=draw), size=size)[1]
    for _ in range(40)
]
of_truth = fit_labelling(first, second, truth, size=size)[1]
worst = max(solved)
fits = "below 0.001" if worst < 1e-3 else "about 0.01"
outcome("22.labels", fits if worst < 0.05 else "about 0.25, as with p = 0.5")
losses = [run.loss for run in runs]


def ends(values: Sequence[float], form: str = ".2f") -> str:
    return f"{min(values):{form}} to {max(values):{form}}" if values else ""


plots.table(
    [
        ("CCS from 12 starts", ends(losses, ".1e")),
        ("solved for the true labels", f"{of_truth:.1e}"),
        ("solved for random labels, 40 draws", ends(solved, ".1e")),
    ],
    columns=[f"scores of about {size:.1f} and -{size:.1f}", "loss of CCS"],
)

# %% [markdown]
# There are 136 rows in `576` dimensions, and *any* labels fit: most of 40 random draws have less than a tenth of the lowest loss of CCS, and the true labels' loss lies among theirs. So with so many dimensions a low loss is no proof of what was found.
#
# Then why did CCS find truth, from most starts?

# %% tags=["numbers"]
assert worst < 1e-3 and sorted(solved)[20] < min(losses) / 10 and of_truth > 0.9 * min(solved)

# %% [markdown]
# ## 4. Audit: when does the loss choose?
#
# There are two suspects. *Room*: in many dimensions many directions have a low loss. *Size*: gradient descent from a small start moves fastest along directions in which the data vary much, and truth is a large difference here. One control for each.
#
# **Control 1: few dimensions, all equally large.** Principal *axes* are the directions along which the rows vary most: the first, then the next at right angles to it, and so on. `whiten(first, second, k)` (given) keeps the first k, and divides the coordinate along each by its size. In so few dimensions 100 steps of `lr=0.1` are enough.

# %%
predict(
    "22.whiten",
    "CCS on the first k axes, whitened: for which k does its lowest loss agree with truth?",
    choices=["for every k", "for small k only", "for none"],
)


# %% tags=["folded"]
# CCS from 5 starts in k whitened axes; noise of the same shape; and starts at random labels.
def with_axes(k: int, x: Tensor, y: Tensor, labels: Tensor) -> dict:
    white, starts = whiten(x, y, k), [random_start(seed, d=k) for seed in range(5)]

    def searched(halves: Sequence[Tensor]) -> list[Found]:
        tries = [ccs(*halves, start=start, steps=100, lr=0.1) for start in starts]
        return sorted(tries, key=lambda run: run.loss)

    noise, stays = [], []
    for seed in range(10 if k <= 20 else 5):
        draw = seeded(50 + seed)
        rows = [normalised(torch.randn(len(x), k, generator=draw)) for _ in range(2)]
        noise += [searched(whiten(*rows, k))[0].loss] if k <= 20 else []
        drawn = torch.randint(2, labels.shape, generator=draw)
        begin, _ = fit_labelling(*white, drawn, size=3.0)
        stays.append(agreement(ccs(*white, start=begin, steps=100, lr=0.1).belief, drawn))
    tries = searched(white)
    agrees = [agreement(run.belief, labels) for run in tries]  # the lowest loss first
    return {"agrees": agrees, "loss": tries[0].loss, "noise": noise, "stays": stays}


# %%
in_axes = {k: with_axes(k, first, second, truth) for k in (3, 10, 20, 60, 134)}
plots.bars(
    {f"k = {k}": each["agrees"][0] for k, each in in_axes.items()},
    title="In k whitened axes, what does the lowest loss find?<br>(bar: lowest loss of 5 starts; dots: each start)",
    y="agreement with truth",
    dots={f"k = {k}": each["agrees"] for k, each in in_axes.items()},
    kinds={f"k = {k}": "whitened" for k in in_axes},
    chance=guess,
).add_annotation(**COIN, y=guess).update_layout(margin_r=60)

# %%
small, large = (in_axes[k]["agrees"][0] > 0.8 for k in (10, 134))
outcome("22.whiten", "for every k" if large else "for small k only" if small else "for none")
plots.table(
    [
        (k, f"{each['loss']:.3f}", ends(each["noise"], ".3f"), ends(each["stays"]))
        for k, each in in_axes.items()
    ],
    columns=["k axes", "lowest loss", "on noise (10 draws)", "random labels kept"],
)

# %% [markdown]
# In 3 and in 10 axes all starts end near truth (at k = 10 the lowest loss agrees in **1.00**), and training from random labels does not keep them: here the loss does choose. Its value is lower than on these 10 draws of noise; but not by much at 3, and at other random orders of the pairs not always at 10. With 134 axes any labels fit, and agreement is that of a coin.
#
# **Control 2: stretch a rival.** In the full space, let a direction of *random* labels grow, and see when CCS finds that.
#
# ### Exercise 3 · stretch one direction (5 minutes, easy)


# %% tags=["exercise:utils.reading.unsupervised.stretched"]
def stretched(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    direction: Float[Tensor, " d_model"],
    factor: float,
) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
    """Both halves, with the part of each row along a direction, of any length, times a factor.

    What lies at right angles to the direction stays as it is.
    """
    ### BEGIN SOLUTION
    unit = direction / direction.norm()
    first = first + (factor - 1) * torch.outer(first @ unit, unit)
    second = second + (factor - 1) * torch.outer(second @ unit, unit)
    return first, second
    ### END SOLUTION


# %% tags=["check"]
stretched = lesson_22.check_stretched(stretched)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Divide the direction by its length. `half @ unit` is how much of it each row has; `torch.outer(half @ unit, unit)` is that part of the rows.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The part is there once already: add it `factor - 1` times. Do so for both halves.
#
# </details>

# %% [markdown]
# The random labels agree with truth in exactly half of the pairs. Two directions are stretched: the *solved* one, along which every pair follows the labels; and the labels' *mean difference*, along which only some do. 4 draws, 2 starts each: mean and range.


# %%
def unrelated(seed: int) -> Tensor:
    """Random labels: 1 in half of the true pairs and in half of the false ones."""
    draw, labels = seeded(seed), torch.zeros_like(truth)
    for value in (0, 1):
        own = (truth == value).nonzero()[:, 0]
        labels[own[torch.randperm(len(own), generator=draw)[: len(own) // 2]]] = 1
    return labels


def mean_along(difference: Tensor, labels: Tensor) -> Tensor:
    """The mean difference that labels give, of length 1."""
    along = ((2 * labels - 1)[:, None] * difference).mean(0)
    return along / along.norm()


def share(difference: Tensor, direction: Tensor) -> float:
    """Share of the differences' sum of squares along a direction of length 1."""
    return ((difference @ direction) ** 2).sum().item() / (difference**2).sum().item()


grown: dict = {}
for seed in range(4):
    labels = unrelated(seed)
    means = mean_along(first - second, labels)
    to = share(first - second, means)
    rivals = {
        f"solved, times {x}": (fit_labelling(first, second, labels)[0], x) for x in (4, 8, 16)
    }
    rivals["mean difference, to 0.7"] = means, (0.7 / 0.3 * (1 - to) / to) ** 0.5
    for name, (along, factor) in rivals.items():
        new = stretched(first, second, along, factor)
        tries = [ccs(*new, start=random_start(start)).belief for start in range(2)]
        values = grown.setdefault(name, {part: [] for part in ("truth", "rival", "size", "pairs")})
        values["truth"] += [agreement(belief, truth) for belief in tries]
        values["rival"] += [agreement(belief, labels) for belief in tries]
        values["size"].append(share(new[0] - new[1], along / along.norm()))
        values["pairs"].append(agrees_along(*new, along, labels))
own = share(first - second, mean_along(first - second, truth))
plots.table(
    [("nothing", f"{sum(agrees) / 12:.2f} ({ends(agrees)})", "", f"(truth: {own:.2f})", "")]
    + [
        (name, *(f"{sum(each) / len(each):.2f} ({ends(each)})" for each in parts.values()))
        for name, parts in grown.items()
    ],
    columns=["stretched", "CCS agrees with truth", "with the random labels", "variance along it"]
    + ["pairs that follow the labels along it"],
)

# %% [markdown]
# Truth has a fifth of the variance to begin with. At 4 times its length the rival is still small, and CCS finds truth in most runs; at 16 times it is the larger one, and CCS finds the random labels (mean agreement **1.00**). At 8 times, with about half of truth's variance, it wins in some runs already. So among *consistent* directions size counts.
# Size alone does not: a mean difference with `0.7` of the variance, which only **0.75** of the pairs follow, is not what CCS finds (mean agreement **0.58**); in most runs it finds truth.
#
# Together: *in few dimensions the loss leaves nearly one solution; with more dimensions than rows it leaves many, and size has a large part in which of them is found.* Language models have more dimensions than most sets of pairs. (One solution is no proof of truth either: see capitals in *Going deeper*.)
#
# ## 5. Distractors
#
# Truth is not the only property in which the two statements of a pair may differ. Farquhar and colleagues (arXiv 2312.10029) put a **distractor** in front: one statement of each pair begins with "Banana.", the other with "Shed.", at random. A second distractor is "I like tea." and "I like milk.". Both are perfectly consistent. The first makes a larger difference than truth; the second has about half of truth's variance.

# %%
predict(
    "22.prefix",
    'With "tea" and "milk", what will CCS find?',
    choices=["truth, which is larger", "the drink, which every pair follows", "now this, now that"],
)

# %% tags=["folded"]
# Each distractor in 4 random orders: PC1, CCS from 4 starts each, and the shares of the variance.
PREFIXES = {  # put a pair of your own here
    "Banana": ("Banana. ", "Shed. "),
    "tea": ("I like tea. ", "I like milk. "),
}
orders = torch.randint(2, (4, len(ones)), generator=seeded(2))


def raw(prefix: str) -> Tensor:
    """[half, pair, d_model]: the stream, with a prefix before every statement."""
    texts = [prefix + x for x in (*ones, *twos)]
    return activations(model, texts, layers=LAYER)[LAYER].reshape(2, len(ones), -1)


shares, wins = {}, {}
for name, prefixes in PREFIXES.items():
    x, y = (raw(prefix) for prefix in prefixes)
    for i, order in enumerate(orders):
        heads = (order == 1)[:, None]
        pair = [
            normalised(half)
            for half in (torch.where(heads, x[0], y[0]), torch.where(heads, y[1], x[1]))
        ]
        beliefs = [ccs(*pair, start=random_start(4 * i + j)).belief for j in range(4)]
        for what, labels in (("truth", truth), ("distractor", order)):
            difference = pair[0] - pair[1]
            along = share(difference, mean_along(difference, labels))
            shares.setdefault((name, what), []).append(along)
            pc_agrees = agrees_along(*pair, component(*pair), labels)
            wins.setdefault((name, "PC1", what), []).append(pc_agrees)
            wins.setdefault((name, "CCS", what), []).extend(agreement(b, labels) for b in beliefs)

# %%
nearer = {
    name: sum(
        a > b
        for a, b in zip(wins[name, "CCS", "distractor"], wins[name, "CCS", "truth"], strict=True)
    )
    for name in PREFIXES
}
found = {0: "truth, which is larger", 16: "the drink, which every pair follows"}
of_tea = nearer["tea"]
outcome("22.prefix", found.get(of_tea, "now this, now that"))
for (name, what), values in shares.items():
    print(f"{name}: share of the variance along {what} {sum(values) / 4:.2f}")
keys = [(a, b, c) for a in PREFIXES for b in ("PC1", "CCS") for c in ("truth", "distractor")]
named = {"<br>".join(key): wins[key] for key in keys}
plots.bars(
    {name: sum(values) / len(values) for name, values in named.items()},
    title="Two distractors: what do PC1 and CCS find?<br>(blue: truth; orange: the distractor; dots: single runs)",
    y="agreement",
    dots=named,
    kinds={name: name.split("<br>")[-1] for name in named},
    chance=guess,
).add_annotation(**COIN, y=guess).update_layout(margin_r=60)

# %% [markdown]
# PC1 finds what has most variance, by definition. CCS ends at the one or the other, as the start has it: with "Banana" nearer the distractor in most of the 16 runs, with "tea", which has **0.50** of truth's variance, in fewer than half. That is as with the stretched rival: both are consistent, and size shifts the odds.
#
# So what an unlabelled method finds depends on what else differs within the pairs. Whether it is truth, only labels can tell, or something else that you know.

# %% tags=["numbers"]
claim("CCS, 10 axes", in_axes[10]["agrees"][0], text=1.00, within=0.03)
for k in (3, 10):
    assert min(in_axes[k]["agrees"]) > 0.9 and sum(in_axes[k]["stays"]) / 10 < 0.65, k
assert in_axes[10]["loss"] < sorted(in_axes[10]["noise"])[2]
assert max(in_axes[134]["agrees"]) < 0.7 and min(in_axes[134]["stays"]) > 0.97
wide = {
    name: [sum(parts[part]) / len(parts[part]) for part in parts] for name, parts in grown.items()
}
claim("random labels, times 16", wide["solved, times 16"][1], text=1.00, within=0.12)
claim("mean difference, followed by", wide["mean difference, to 0.7"][3], text=0.75, within=0.06)
claim("mean difference, found", wide["mean difference, to 0.7"][1], text=0.58, within=0.08)
assert wide["solved, times 4"][0] > 0.75 > wide["solved, times 4"][1]
assert wide["solved, times 4"][2] < 0.05 < 0.25 < wide["solved, times 16"][2]
assert wide["mean difference, to 0.7"][0] > 0.75
sized = {key: sum(values) / len(values) for key, values in (shares | wins).items()}
assert sized["Banana", "distractor"] > sized["Banana", "truth"]
claim(
    "tea's variance, of truth's",
    sized["tea", "distractor"] / sized["tea", "truth"],
    text=0.50,
    within=0.07,
)
assert sized["tea", "PC1", "truth"] > 0.9 and sized["Banana", "PC1", "distractor"] > 0.9
assert 16 > nearer["Banana"] > 8 > nearer["tea"] > 0


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
# Reading statements is free. `look("A", 5)` says which statement of pair 5 probe A prefers; you have 18 looks for the three probes together. The sign is unknown for each. A probe that found a concept agrees with it on every pair. Plan first: at which pairs do the four differ? Answer with a dictionary from "A", "B" and "C" to the names.
# Twelve pairs are shown; `kind_ones[i]` and `kind_twos[i]` are the statements of the others.

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
looks, SHOWN = [], [0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 18, 19]


def look(name: str, pair: int, *, free: bool = False) -> None:
    """Prints the pair, and which of the two this probe prefers; 18 times."""
    if not free and len(looks) >= 18:
        print("The budget is spent: decide.")
        return
    looks.extend([] if free else [(name, pair)])
    two = [kind_ones[pair], kind_twos[pair]]
    chosen = 0 if hidden[name].belief[pair] > 0.5 else 1
    print(f"{18 - len(looks)} left. {name} prefers {two[chosen]!r} to {two[1 - chosen]!r}")


# %%
plots.table(
    [(i, kind_ones[i], kind_twos[i]) for i in SHOWN],
    columns=["pair", "one statement", "the other"],
)

# %%
look("A", 4, free=True)  # this one does not count; yours, without `free`, go below

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
# Choose six pairs for which the three concepts give three different patterns, such as (same, other, other, ...), and look at them with each probe. What fits no pattern is random. Random labels fit *one* of the three patterns, under one sign or the other, with a chance of 3 in 8 after four looks, and of 3 in 32 after six.
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
# Probe B, of random labels, has the lowest loss. (It *began* at a solved direction with scores of 10; its labels are one draw of 38, taken so that few plans with six looks mistake it for a concept.) Nobody planned the list: the pairs were made such that one kind of each five stands on each side, and CCS found it.

# %% tags=["numbers"]
agree = {
    name: {kind: agreement(run.belief, labels) for kind, labels in concepts.items()}
    for name, run in hidden.items()
}
assert all(run.loss < 1e-3 for run in hidden.values())
assert hidden["B"].loss < min(hidden["A"].loss, hidden["C"].loss)
assert agree["A"]["list"] == agree["C"]["truth"] == 1.0
assert max(agree["B"].values()) < 0.7
assert discovered == {"A": "list", "B": "random", "C": "truth"}

# %% [markdown]
# ## Going deeper: two other families
#
# Capitals and cities, in the full space and in 10 whitened axes:

# %%
families = {}
for name in ("capitals", "cities"):
    one, two, labels, _ = pairs_of(name)
    both = halves(one, two)
    along = agrees_along(*both, component(*both), labels)
    six = [agreement(ccs(*both, start=random_start(seed)).belief, labels) for seed in range(6)]
    families[name] = along, six, with_axes(10, *both, labels)
plots.table(
    [
        (name, f"{along:.2f}", ends(six), ends(ten["agrees"]), f"{ten['loss']:.3f}")
        + (ends(ten["noise"], ".3f"), ends(ten["stays"]))
        for name, (along, six, ten) in families.items()
    ],
    columns=["agreement with truth", "PC1", "CCS (6 starts)", "CCS, 10 axes (5 starts)"]
    + ["its loss", "loss on noise", "random labels kept"],
)

# %% [markdown]
# On cities nothing works. On capitals PC1 finds nothing, and CCS in 10 axes most: **0.84**, from every start. Random labels are not kept. But the loss is no lower than on noise: few dimensions have nearly *one* solution, and whether that is truth the loss does not say.
#
# **Task.** Do the same for `kinds` at layer 12 (`halves(..., layer=12)`). Which concept of section 6 do few dimensions find?

# %% tags=["numbers"]
along, six, ten = families["capitals"]
claim("capitals, 10 axes", ten["agrees"][0], text=0.84, within=0.04)
assert along < 0.6 and min(ten["agrees"]) > 0.78 and sum(ten["stays"]) / 10 < 0.65
assert ten["loss"] > min(ten["noise"]) and sum(six) / 6 < 0.8
along, six, ten = families["cities"]
assert max(along, ten["agrees"][0], sum(six) / 6) < 0.67

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
    layers=BLOCKS[:2],
    read=LAYER,
).cpu()
y = good[unseen]
unit = gap("plain", direction)[LAYER]
moved = (patched[..., y == 1].mean(-1) - patched[..., y == 0].mean(-1)) / unit
before = (gap("not", direction)[LAYER] / unit).item()
plots.heatmap(
    moved - before,
    title=f"Which head turns the reading round?<br>(the gap was {before:.2f}; colours: its change when one head is patched)",
    x="head",
    y="layer",
    rows=[str(block) for block in BLOCKS[:2]],
    label="change of the gap",
    signed=True,
)

# %% [markdown]
# The same for whole parts: all of a block's attention, or its MLP.


# %%
names = [f"blocks.{block}.hook_{part}_out" for block in BLOCKS for part in ("attn", "mlp")]
ends_at = (torch.arange(len(denied)), lengths - 1)
with torch.no_grad():
    resid, cache = model.run_with_cache(
        batch(SENTENCES["really"], own)[0], names_filter=names, stop_at_layer=LAYER
    )


def gap_of(x: Tensor) -> float:
    """The gap in a stream before block 16, in units of the plain sentences' gap."""
    x = x[ends_at].cpu() @ direction
    return ((x[y == 1].mean() - x[y == 0].mean()) / unit).item()


def part_patched(block: int, part: str) -> float:
    """The gap when a part's output at the last token is that of the sentence with "really"."""
    name = f"blocks.{block}.hook_{part}_out"

    def patch(out, hook):
        out = out.clone()
        out[ends_at] = cache[name][ends_at]
        return out

    with torch.no_grad(), model.hooks(fwd_hooks=[(name, patch)]):
        return gap_of(model(denied, stop_at_layer=LAYER))


really = gap_of(resid)
print(f'gap with "not" {before:+.2f}, with "really" {really:+.2f}')
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
# It is attention: block 14's brings the gap from **-0.63** to **0.52**, and its head `14.2` alone to **0.25**, about half of the way to the gap with "really" (**1.00**). The MLP of block 14 moves it less, the parts of the blocks 13 and 15 little.
#
# Where does this head find the turned sentiment? It attends mostly to the word itself (**0.47** of its attention), and little to "not" (**0.07**). So block 14 is where the *full stop* gets it, and not where "not" and the word meet. To find that, patch the stream at other positions
# (question 3 below).

# %% tags=["numbers"]
claim("gap before patching", before, text=-0.63, within=0.06)
claim('gap with "really"', really, text=1.00, within=0.03)
claim("gap with head 14.2 patched", moved[1, 2], text=0.25, within=0.035)
assert (moved - before)[0].abs().max() < (moved[1, 2] - before) / 6
claim("attention to the word", float(places["the word"]), text=0.47, within=0.07)
claim("attention to not", float(places['"not"']), text=0.07, within=0.01)
claim("gap with attention of block 14 patched", parts[14][0], text=0.52, within=0.05)
assert before < parts[14][1] < 0
assert max(max(parts[13]), max(parts[15])) < before + 0.2
assert int((moved - before).argmax()) == model.cfg.n_heads + 2

# %% [markdown]
# ## Going deeper: erase what a probe reads
#
# The other side of probing: take the concept *out*, so that no linear probe finds it, and change as little else as possible. If what the model says does not change, it did not need what the probe read there. **LEACE** (Belrose and colleagues, arXiv 2306.03819) has a closed form. The obvious edit is to project out the difference of means *c*.
# Both edits take away a multiple of *c*. They differ in how they measure the amount: the projection along *c* itself, LEACE along another direction u, chosen so that, of all edits that remove the covariance with the concept, it changes the activations least. An `Eraser` is a mean and a matrix: `x` becomes `x - (x - mean) @ matrix.T`.
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
# "No linear probe finds it" holds for the rows that the eraser was fitted on. We have 40 words for it, and `576` dimensions. Is it gone from other words, too? That takes a *new* probe, trained on erased activations of 20 other words, and tested on the last 20.
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
# First: does the model take sentiment, and "not", into what it says next, after "I think that our hotel is not wonderful. I felt very"? The number is the log probability of happy words minus that of sad words.

# %%
HAPPY, SAD = [" happy", " pleased", " glad"], [" sad", " disappointed", " angry"]


def word_tokens(some: list[str]) -> list[int]:
    return [int(model.to_tokens(word, prepend_bos=False)[0, 0]) for word in some]


def feeling(logits: Float[Tensor, "text d_vocab"]) -> Float[Tensor, " text"]:
    """Log probability of the happy words minus that of the sad ones."""
    log_p = logits.cpu().log_softmax(-1)
    happy, sad = (log_p[:, word_tokens(some)].logsumexp(1) for some in (HAPPY, SAD))
    return happy - sad


half = [*words][::2]  # every second word, good and bad
said = {
    name: feeling(next_logits(model, [SENTENCES[name].format(w) + " I felt very" for w in half]))
    for name in ("plain", "not")
}
drop = said["plain"] - said["not"]
of_words = {"good words": good[::2] == 1, "bad words": good[::2] == 0}
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
# - **Weaker in other words.** Erased from 40 words, the concept is read from others by a new probe with an AUC of **0.66** (`1.0` before); of 30 probes of shuffled labels, 95% stay below **0.66**. But at other random splits of the words more was left. So it is weaker, and not surely gone.
# - **One block later it is back.** So one erasure at one token changes what the model says by little, and a probe that finds nothing at one layer does not show that the model has no access. (Task: which part of block 16 brings it back? Replace its attention's output, then its MLP's, at the last token by the mean over all texts.)
# - **Erased before every block, it no longer decides.** The difference between good and bad words in what the model says falls to a small part. Random directions, a fresh one at each block, change little.
# - **LEACE does less other damage.** Fitted on *shuffled* labels, an eraser should take away nothing that matters. LEACE leaves nearly all of the difference in each of 4 draws (mean **3.29**). Projecting out the difference of means leaves less on average, and in single draws much less.

# %% tags=["numbers"]
none, once, always, means, chance = gaps.values()
claim("new probe after LEACE", once[1], text=0.66, within=0.09)
claim("new probes of shuffled labels, 95th percentile", high, text=0.66, within=0.09)
assert none[1] > 0.98 and once[2] > 0.95 and once[0] > 0.8 * none[0]
assert always[0] < 0.3 * none[0] and means[0] < 0.3 * none[0] and chance[0] > 0.9 * none[0]
mean_left = {name: sum(values) / 4 for name, values in shuffled.items()}
claim("LEACE, shuffled", mean_left["LEACE"], text=3.29, within=0.2)
assert mean_left["difference of means"] < mean_left["LEACE"] - 0.2
assert min(shuffled["LEACE"]) > 0.85 * none[0]
assert min(shuffled["difference of means"]) < 0.85 * none[0]
assert bootstrap(drop[good[::2] == 1])[0] > 1 and bootstrap(drop[good[::2] == 0])[1] < -1

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
            "CCS, agreement with truth (lowest loss of 12)",
            f"{agreement(best.belief, truth):.2f}",
            f"PC1 {of_pc:.2f}; random directions {sum(random_agrees) / 40:.2f}; a coin {guess:.2f}",
            "6 models, 10 data sets: 4% above zero-shot on average (Burns et al.)",
        ),
        ("PC1 on the same pairs with not", f"{with_not:.2f}", f"without: {of_pc:.2f}", ""),
        (
            "CCS in 10 whitened axes, lowest loss",
            f"{in_axes[10]['agrees'][0]:.2f}",
            f"134 axes: {in_axes[134]['agrees'][0]:.2f}",
            "",
        ),
        (
            "CCS with Banana: the distractor",
            f"{sum(wins['Banana', 'CCS', 'distractor']) / 16:.2f}",
            f"truth {sum(wins['Banana', 'CCS', 'truth']) / 16:.2f}",
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
# - Taking a low loss as proof of what was found.
# - Testing an erasure with a probe trained on the rows that it was fitted on.
# - Erasing at one token of one layer, and concluding that the model does not use the concept.
#
# ## Where this breaks
#
# One small model, and one family of pairs on which CCS works well. The sentences are templates. The axes that are kept are those along which the rows vary most, so size still chose *them*: truth could lie outside. "Truth" was tested on statements with "not" for PC1 alone. CCS ran for a few hundred steps, and stops before it has converged in the full space.
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
