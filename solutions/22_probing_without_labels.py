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
# **Map:**
#
# By the end of this lesson you will be able to
#
# 1. follow one fixed direction through the layers of a model, and say what it reads at each;
# 2. train a probe without labels (CCS), and say what its loss can and cannot show;
# 3. name what makes such a probe find truth, or something else, and test it with a control;
# 4. erase a concept from activations (LEACE), and measure how much of it is left.
#
# **Time** 50 minutes for the core, and 55 minutes for *Going deeper*. **Needs** lesson 2.1: probes, splits by group.
# **Runs** in about a minute and a half on a laptop's processor.
#
# **First, play.** The third cell scores sentences along *one fixed direction*: the mean of sentences with good words minus that of sentences with bad words, in the residual stream before block 16. It never saw a "not".
# The stream of *every* layer is projected on it. +1 is where good words lie on average, -1 where bad words lie. Run it, then change `TEXTS`. Which of your sentences does the direction get right, and from which layer on?

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
plots.lines(
    {**fixed, 'control: "not only", layer 16': kept("not only", LAYER)},
    title='Before block 15, "not" turns the reading round<br>along fixed directions of layers 12, 16 and 20',
    x="layer (at the full stop)",
    y="gap with not / gap without",
    at=list(range(8, 21)),
    chance=0,
)

# %% [markdown]
# At layer 14 the gap is still positive; at layer 15 it is **-0.61** (direction of layer 16): block 14 turns it round, with the direction held fixed. The directions of layers 12 and 20 agree. That of layer 10 does not: it turns later, and hardly. So the finding is about a direction that the middle layers
# share, and not about every direction that reads sentiment. "Not only" stays positive.
#
# Does the *model* take in the "not"? Let it go on: "I think that our hotel is not wonderful. I felt very". The number is the log probability of happy words minus that of sad words.

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
# In its own words the model minds the "not": paired word by word, both differences are clear, and of opposite sign. (Which part of block 14 turns the direction is the first section of *Going deeper*.)
#
# That direction was fitted with labels. What if you have none?

# %% tags=["numbers"]
claim("gap at layer 15, direction of 16", kept("not", 16)[7], text=-0.61, within=0.06)
for at in (12, 16, 20):
    assert kept("not", at)[6] > 0.1 and max(kept("not", at)[7:]) < -0.1
assert kept("not", 10)[7] > 0 and min(kept("not only", 16)) > 0.4
assert bootstrap(drop[good == 1])[0] > 1 and bootstrap(drop[good == 0])[1] < -1

# %% [markdown]
# ## 2. CCS: a probe that agrees with itself
#
# **Contrast-consistent search** (CCS; Burns and colleagues, arXiv 2212.03827) takes *pairs* of statements of which just one is true. It does not know which. It looks for a direction and a bias so that the two probabilities fit together:
#
# - *consistency*: `p(first) = 1 - p(second)`;
# - *confidence*: the smaller of the two is near 0, so that "a half for each" is no solution.
#
# Both are squared and added, and the mean over the pairs is the loss. First each half is **normalised** by itself: without that, a probe could read whatever all first halves share.
# In Burns's paper the two halves are one question with the answers "Yes" and "No". Ours are the two answers of "The opposite of hot is ...", in random order: 68 pairs, at the full stop.
#
# ### Exercise 1 · train CCS (15 minutes, medium)
#
# Normalise, train, and return what the probe believes. One start is one call.


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

    1. Normalise each half by itself: subtract its mean, divide by `half.std(0)`.
    2. The probe gives `sigmoid(x @ direction + bias)`. Begin with `start`, and the bias at 0.
    3. Take `steps` steps of Adam with step size `lr`. The loss is the mean over pairs of
       `(p_first - (1 - p_second)) ** 2` plus the square of the smaller of the two.

    Returns:
        `Found(belief, loss)` after the last step: the mean of `p_first` and `1 - p_second`,
        [pair], without a gradient, and the loss, a number.

    Source: Burns et al., 2022 (arXiv 2212.03827).
    """
    ### BEGIN SOLUTION
    a, b = ((half - half.mean(0)) / half.std(0) for half in (first, second))
    direction, bias = start.clone().requires_grad_(), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([direction, bias], lr=lr)

    def probabilities():
        return torch.sigmoid(a @ direction + bias), torch.sigmoid(b @ direction + bias)

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
# **Agreement** is the share of pairs in which the belief and the labels choose alike. CCS cannot know which sign means true, so the better sign counts: agreement is never below a half. Labels are used for nothing else here, so there is no test set. Beside CCS stand two methods without training:
# the **first principal component** (PC1) of the differences of the two halves, that is, the direction along which they vary most (Burns and colleagues call this CRC); and 40 random directions.
#
# CCS is usually run from several starts, and the one with the lowest loss is reported. Below every start is a dot, and the bar is the one of lowest loss.


# %%
def pairs_of(family: str, seed: int = 0) -> tuple[list[dict], list[dict], Tensor]:
    """The two statements of each pair in random order, and 1 where the first is true."""
    by_subject: dict = {}
    for row in read("facts"):
        if row["family"] == family and row["negated"] == "0":
            by_subject.setdefault((row["pair"], row["subject"]), []).append(row)
    turned = torch.rand(len(by_subject), generator=seeded(seed)) < 0.5
    both = [two[::-1] if t else two for two, t in zip(by_subject.values(), turned, strict=True)]
    truth = torch.tensor([int(one["label"]) for one, _ in both])
    return [one for one, _ in both], [two for _, two in both], truth


def halves(one: list[str], two: list[str], layer: int = LAYER) -> tuple[Tensor, Tensor]:
    """The stream before block `layer` at the last tokens of both halves."""
    return activations(model, [*one, *two], layers=layer)[layer].split(len(one))


def random_start(seed: int, d: int = model.cfg.d_model) -> Tensor:
    return torch.randn(d, generator=seeded(seed)) / d**0.5


def component(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The first principal component of the differences: each pair's score, and the direction."""
    difference = normalised(first) - normalised(second)
    direction = torch.linalg.svd(difference, full_matrices=False).Vh[0]
    return difference @ direction, direction


def statements(rows: list[dict]) -> list[str]:
    return [row["statement"] for row in rows]


ones, twos, truth = pairs_of("opposites")
first, second = halves(statements(ones), statements(twos))
for i in range(3):
    print(truth[i].item(), ones[i]["statement"], "|", twos[i]["statement"])

STARTS = range(20)
runs = [ccs(first, second, start=random_start(seed)) for seed in STARTS]
best = min(runs, key=lambda run: run.loss)
agrees = [agreement(run.belief, truth) for run in runs]
of_pc = agreement(component(first, second)[0] + 0.5, truth)
difference = normalised(first) - normalised(second)
random_agrees = [
    agreement(difference @ random_start(100 + seed) + 0.5, truth) for seed in range(40)
]
plots.bars(
    {
        "CCS, lowest loss<br>of 20 starts": agreement(best.belief, truth),
        "first principal<br>component": of_pc,
        "random directions<br>(mean of 40)": sum(random_agrees) / 40,
    },
    title="Without a label, CCS and PC1 choose the true statement nearly always",
    y="agreement with truth",
    dots={
        "CCS, lowest loss<br>of 20 starts": agrees,
        "random directions<br>(mean of 40)": random_agrees,
    },
    chance=0.5,
)

# %% [markdown]
# At its lowest loss CCS finds truth in **0.99** of the pairs. Single starts (dots) differ. The principal component finds truth in **1.00**, without training, a loss, or a start. Random directions with the better sign reach **0.65** on average.
#
# This looks as if consistency had found truth. Has it?

# %% tags=["numbers"]
claim("CCS, lowest loss", agreement(best.belief, truth), text=0.99, within=0.03)
assert min(agrees) < 0.9 and max(agrees) > 0.96
claim("PC1", of_pc, text=1.00, within=0.02)
claim("random directions", sum(random_agrees) / 40, text=0.65, within=0.04)

# %% [markdown]
# ## 3. Can the loss tell truth from random labels?
#
# There are 68 pairs, 136 rows, and the stream has `576` dimensions.
#
# ### Exercise 2 · make CCS believe anything (10 minutes, medium)
#
# Take *any* labels of the pairs, and solve for the shortest direction that believes in them.


# %% tags=["exercise:utils.reading.unsupervised.fit_labelling"]
def fit_labelling(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    labels: Int[Tensor, " pair"],
    *,
    size: float = 10.0,
) -> tuple[Float[Tensor, " d_model"], float]:
    """The shortest direction that makes CCS believe in some labels, and the loss of CCS there.

    Args:
        first, second: normalised halves. There are more dimensions than rows.
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
    "Half of the pairs get random labels. What is the loss of CCS that you can reach on them?",
    choices=["about 0.2, as with p = 0.5", "about 0.01", "below 0.0001"],
)

# %% [markdown]
# Fit 40 draws of random labels on one half of the pairs, and the true labels as well. Then ask each direction about the *other* half: how often does it choose the true statement? (No better sign here: the labels fix the sign.)

# %%
groups = [row["pair"] for row in ones]
out = split_by_group(groups, test=0.5, generator=seeded(0))
a, b = normalised(first), normalised(second)


def tried(labels: Tensor) -> tuple[float, float]:
    """For labels of the pairs to fit: the loss there, and the share right on the other pairs."""
    direction, loss = fit_labelling(a[~out], b[~out], labels)
    right = ((a - b)[out] @ direction > 0) == (truth[out] == 1)
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
    else "about 0.2, as with p = 0.5",
)
losses = [run.loss for run in runs]
plots.table(
    [
        ("CCS from 20 random starts (all pairs)", f"{min(losses):.0e} to {max(losses):.0e}", ""),
        (
            "random labels, worst of 40",
            f"{worst:.0e}",
            f"{sum(held) / 40:.2f} (mean; {min(held):.2f} to {max(held):.2f})",
        ),
        ("true labels", f"{true_labels[0]:.0e}", f"{true_labels[1]:.2f}"),
    ],
    columns=["", "loss of CCS", "right on held-out pairs"],
)

# %% [markdown]
# *Any* labels fit: even the worst of 40 random draws has a lower loss than the best of the 20 starts of CCS. Held out, random labels choose the true statement in **0.51** of the pairs, which is chance; true labels in **1.00**. So a low loss says nothing about *what* was found, and taking the lowest loss of several starts is no help. With fewer
# dimensions than rows it could be otherwise. In language models there are nearly always more.
#
# Then why did CCS find truth, from most starts?

# %% tags=["numbers"]
claim("random labels, held out", sum(held) / 40, text=0.51, within=0.05)
claim("true labels, held out", true_labels[1], text=1.00, within=0.13)
assert worst < 1e-4 and worst < min(losses) and true_labels[0] < 1e-4

# %% [markdown]
# ## 4. Audit: which control brings CCS down?
#
# A suspicion: gradient descent from a small start moves fastest along directions in which the data vary much. Then CCS would find truth because truth is a *large* difference here, which PC1 suggests. How would you test that? Four candidates:
#
# 1. shuffled labels: but CCS sees no labels;
# 2. random directions: they show what no training gives, and not why training works;
# 3. more starts: they show the same again;
# 4. **whitening**: change the coordinates so that no direction varies more than another. Everything that could be separated by a direction still can be, and the loss can still reach 0. Only *size* is gone.
#
# ### Exercise 3 · build the control (10 minutes, medium)


# %% tags=["exercise:utils.reading.unsupervised.whiten"]
def whiten(
    first: Float[Tensor, "pair d_model"], second: Float[Tensor, "pair d_model"]
) -> tuple[Float[Tensor, "pair k"], Float[Tensor, "pair k"]]:
    """The halves in new coordinates, in which no direction varies more than another.

    Both halves together are rotated to their principal axes, and each coordinate is divided by its
    standard deviation. Axes with less than a thousandth of the largest singular value are left out.

    Args:
        first, second: normalised halves, so that the columns' means are 0.

    Returns:
        The two halves in the k coordinates that are left: their rows together, [2 * pair, k], have
        `rows.T @ rows / len(rows)` equal to the identity.
    """
    ### BEGIN SOLUTION
    both = torch.cat([first, second])
    left, values, _ = torch.linalg.svd(both, full_matrices=False)
    rows = left[:, values > 1e-3 * values[0]] * len(both) ** 0.5
    return rows[: len(first)], rows[len(first) :]
    ### END SOLUTION


# %% tags=["check"]
whiten = lesson_22.check_whiten(whiten)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.linalg.svd(both, full_matrices=False)` gives left vectors, singular values and right vectors. The left vectors are the rows in principal axes, each coordinate already divided by its size.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The columns of the left vectors have length 1. Multiply by the square root of the number of rows, and keep the columns with `values > 1e-3 * values[0]`.
#
# </details>

# %%
predict(
    "22.whiten",
    "CCS on whitened activations, 20 starts: what is its mean agreement with truth?",
    choices=["about as before, 0.9", "between: 0.7 to 0.8", "about chance, 0.5 to 0.6"],
)

# %%
white = whiten(a, b)
white_runs = [ccs(*white, start=random_start(seed, d=white[0].shape[1])) for seed in STARTS]
white_agrees = [agreement(run.belief, truth) for run in white_runs]
white_mean = sum(white_agrees) / len(white_agrees)
outcome(
    "22.whiten",
    "about chance, 0.5 to 0.6"
    if white_mean < 0.65
    else "between: 0.7 to 0.8"
    if white_mean < 0.82
    else "about as before, 0.9",
)
print(f"loss after whitening: {max(run.loss for run in white_runs):.0e} at most")
plots.bars(
    {
        "activations": sum(agrees) / 20,
        "whitened": white_mean,
        "random directions<br>(before whitening)": sum(random_agrees) / 40,
    },
    title="With all directions equally large, CCS no longer finds truth",
    y="agreement with truth (dots: starts)",
    dots={
        "activations": agrees,
        "whitened": white_agrees,
        "random directions<br>(before whitening)": random_agrees,
    },
    chance=0.5,
)

# %% [markdown]
# After whitening the loss still comes down to about `0.001` from every start, and agreement falls from **0.95** (mean of 20 starts) to **0.55**, below that of random directions before. So on these pairs the loss alone did not choose truth. Training needed the *size* of the difference that truth makes.
#
# We chose opposites because CCS works there. Two other families, from ten starts each:

# %%
families = {"opposites": [best, white_mean, of_pc, truth, agrees]}
for name in ("capitals", "cities"):
    one, two, labels = pairs_of(name)
    both = halves(statements(one), statements(two))
    ten = [ccs(*both, start=random_start(seed)) for seed in range(10)]
    flat = whiten(*map(normalised, both))
    starts = [random_start(seed, d=flat[0].shape[1]) for seed in range(5)]
    flat_agree = [agreement(ccs(*flat, start=each).belief, labels) for each in starts]
    lowest = min(ten, key=lambda run: run.loss)
    of_component = agreement(component(*both)[0] + 0.5, labels)
    single = [agreement(run.belief, labels) for run in ten]
    families[name] = [lowest, sum(flat_agree) / 5, of_component, labels, single]
plots.table(
    [
        (
            name,
            f"{agreement(run.belief, labels):.2f}",
            f"{min(single):.2f} to {max(single):.2f}",
            f"{flat:.2f}",
            f"{pc:.2f}",
        )
        for name, (run, flat, pc, labels, single) in families.items()
    ],
    columns=["agreement with truth", "CCS, lowest loss", "single starts"]
    + ["CCS, whitened (mean)", "PC1"],
)

# %% [markdown]
# On cities nothing works. On capitals CCS finds truth in **0.77** of the pairs and PC1 in **0.50**: so CCS is not the same as PC1, and can prefer a direction that is not the largest. But after whitening it is at chance there, too.
#
# ## 5. Distractors
#
# If size matters, then any other property that differs within each pair can win, if it is larger. Farquhar and colleagues (arXiv 2312.10029) put such a **distractor** in front: one statement of each pair begins with "Banana.", the other with "Shed.", at random. Here are four distractors. All four are *perfectly* consistent.

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
coin = torch.randint(2, (len(ones),), generator=seeded(2))


def variance_of(difference: Tensor, labels: Tensor) -> float:
    """Share of the differences' sum of squares along the mean difference that labels give."""
    along = ((2 * labels - 1)[:, None] * difference).mean(0)
    return ((difference @ along / along.norm()) ** 2).sum().item() / (difference**2).sum().item()


rows, wins = [], {}
for name, (heads, tails) in PREFIXES.items():
    pair = zip(coin.tolist(), statements(ones), statements(twos), strict=True)
    texts = [(heads + x, tails + y) if c else (tails + x, heads + y) for c, x, y in pair]
    with_prefix = halves([x for x, _ in texts], [y for _, y in texts])
    change = normalised(with_prefix[0]) - normalised(with_prefix[1])
    score = component(*with_prefix)[0] + 0.5
    beliefs = [ccs(*with_prefix, start=random_start(seed)).belief for seed in range(10)]
    shares = [variance_of(change, labels) for labels in (truth, coin)]
    found = [agreement(score, labels) for labels in (truth, coin)]
    wins[name] = (shares, found, sum(agreement(x, coin) > agreement(x, truth) for x in beliefs))
    rows.append((name, *(f"{x:.2f}" for x in (*shares, *found)), f"{wins[name][2]} of 10"))
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
# PC1 finds the distractor where that has the larger variance, and truth where truth has. Being consistent does not decide, since all four distractors are. CCS is less strict: it ends nearer the two larger distractors from most starts, and nearer the two smaller ones from about half.
#
# So what an unlabelled method finds depends on what else is large. Whether it is truth has to be asked with labels, or with something else that you know.

# %% tags=["numbers"]
claim("CCS, mean of starts", sum(agrees) / 20, text=0.95, within=0.05)
claim("CCS, whitened", white_mean, text=0.55, within=0.05)
in_capitals, in_cities = families["capitals"], families["cities"]
claim("capitals, CCS", agreement(in_capitals[0].belief, in_capitals[3]), text=0.77, within=0.05)
claim("capitals, PC1", in_capitals[2], text=0.50, within=0.06)
assert in_capitals[1] < 0.6 and max(in_cities[4]) < 0.65 and in_cities[2] < 0.65
assert max(white_agrees) < 0.75 and max(run.loss for run in white_runs) < 0.01
for shares, found, _ in wins.values():
    assert (shares[1] > shares[0]) == (found[1] > found[0]) and max(found) > 0.9
assert 0 < n_found < 4
by_size = [n for shares, _, n in sorted(wins.values(), key=lambda each: each[0][1])]
assert max(by_size[:2]) < min(by_size[2:])

# %% [markdown]
# ## 6. Three discoveries
#
# ### Investigation · what did each find? (10 minutes, medium)
#
# Three probes without labels, A, B and C, were trained on 80 pairs of another family, *kinds* ("A robin is a kind of bird."). Each reached a loss below `0.001`. Each has found one of four things, under one sign or the other:
#
# - `"truth"`: the true statement;
# - `"list"`: the statement whose *last word* is bird, fish, insect, fruit or vegetable (in each pair, just one is);
# - `"alphabet"`: the statement whose last word comes first in the alphabet;
# - `"random"`: nothing, the labels were random.
#
# Reading statements is free. `look("A", 5)` says which statement of pair 5 probe A prefers, and costs one of 18 looks for all three probes together. The sign is unknown for each. Plan first: at which pairs do the four differ?

# %% tags=["folded"]
# The pairs, and the probes.
kind_ones, kind_twos, kind_truth = pairs_of("kinds")
kinds = halves(statements(kind_ones), statements(kind_twos), layer=12)
hidden = {}
for name in "ABC":
    seed, labelled = lesson_22.hidden(name)
    start = random_start(seed)
    if labelled:
        labels = torch.randint(2, (len(kind_ones),), generator=seeded(seed))
        start, _ = fit_labelling(*map(normalised, kinds), labels)
    hidden[name] = ccs(*kinds, start=start)
looks = []


def look(name: str, pair: int) -> None:
    """Prints the pair, and which of the two this probe prefers; 18 times."""
    if len(looks) >= 18:
        print("The budget is spent: decide.")
        return
    looks.append((name, pair))
    two = [kind_ones[pair]["statement"], kind_twos[pair]["statement"]]
    chosen = 0 if hidden[name].belief[pair] > 0.5 else 1
    print(f"{18 - len(looks)} left. {name} prefers {two[chosen]!r} to {two[1 - chosen]!r}")


# %%
plots.table(
    [(i, kind_ones[i]["statement"], kind_twos[i]["statement"]) for i in range(16)],
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
    "list": torch.tensor([int(row["shown"] in list_words) for row in kind_ones]),
    "alphabet": torch.tensor(
        [int(x["shown"] < y["shown"]) for x, y in zip(kind_ones, kind_twos, strict=True)]
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
assert agree["A"]["list"] > 0.97 and agree["C"]["truth"] > 0.97
assert max(agree["B"].values()) < 0.7
assert discovered == {"A": "list", "B": "random", "C": "truth"}

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
    title=f"One head of block 14 writes most of the turn<br>(the gap was {before:.2f}; colours: its change when one head is patched)",
    x="head",
    y="layer",
    rows=[str(block) for block in BLOCKS],
    label="change of the gap",
    signed=True,
)

# %% [markdown]
# The same for whole parts: all of a block's attention, or its MLP.


# %%
def part_patched(block: int, part: str) -> float:
    """The gap when a part's output at the last token is that of the sentence with "really"."""
    name, at = f"blocks.{block}.hook_{part}_out", (torch.arange(len(denied)), lengths - 1)
    really = batch(SENTENCES["really"], own)[0]

    def patch(out, hook):
        out = out.clone()
        out[at] = cache[name][at]
        return out

    with torch.no_grad():
        _, cache = model.run_with_cache(really, names_filter=[name], stop_at_layer=LAYER)
        with model.hooks(fwd_hooks=[(name, patch)]):
            x = model(denied, stop_at_layer=LAYER)[at].cpu() @ direction
    return ((x[y == 1].mean() - x[y == 0].mean()) / unit).item()


parts = {block: [part_patched(block, part) for part in ("attn", "mlp")] for block in BLOCKS}
plots.table(
    [(block, *(f"{value:+.2f}" for value in values)) for block, values in parts.items()],
    columns=["block", f"gap with attention patched (was {before:+.2f})", "with MLP patched"],
)

# %% [markdown]
# It is attention: block 14's brings the gap from **-0.63** to **0.52**, and its head `14.2` alone to **0.25**. The MLP of block 14 moves it less, the parts of the blocks 13 and 15 little. Where does this head find the turned sentiment? It looks at the word itself. So block 14 is where the *full stop* gets it, and not where "not" and the word meet. To find that, patch the stream at other positions
# (question 3 below).

# %% tags=["numbers"]
claim("gap before patching", before, text=-0.63, within=0.06)
claim("gap with head 14.2 patched", moved[1, 2], text=0.25, within=0.035)
assert (moved - before)[[0, 2]].abs().max() < (moved[1, 2] - before) / 6
claim("gap with attention of block 14 patched", parts[14][0], text=0.52, within=0.06)
assert before < parts[14][1] < 0
assert max(max(parts[13]), max(parts[15])) < before + 0.2
assert int((moved - before).argmax()) == model.cfg.n_heads + 2

# %% [markdown]
# ## Going deeper: erase what a probe reads
#
# The other side of probing: take the concept *out*, so that no linear probe finds it, and change as little else as possible. If what the model says does not change, it did not need what the probe read there. **LEACE** (Belrose and colleagues, arXiv 2306.03819) has a closed form. The obvious edit is to project out the difference of means *c*.
# LEACE takes the component out along another line: the least change, measured by the covariance of the activations.
#
# ### Exercise 5 · LEACE (10 minutes, medium)


# %% tags=["exercise:utils.reading.erasure.leace"]
def leace(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"], *, shrink: float = 0.05) -> Eraser:
    """Least-squares concept erasure: no linear probe finds `y` in the rows that it was fitted on.

    With the covariance S of `x` and the covariance c of `x` with `y`: `matrix` is the outer product
    of c and u, divided by `c @ u`, where u solves `S u = c`. It takes away the least squared length
    (in the sense of S) of all that do.

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
        For every block, the stream before it at the last tokens, after erasing; and the logits at
        the last tokens.
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

# %%
asked, ends = batch("The movie was {}. I felt very", list(words))
order = torch.randperm(len(words), generator=seeded(1)).tolist()
part = torch.zeros(len(words), dtype=torch.long)
part[order[40:60]], part[order[60:]] = 1, 2  # 40 words for the eraser, 20 and 20 for new probes


def by_means(x, y):
    """Projects out the difference of means."""
    return leace(x, y, shrink=1.0)


def by_chance(x, y):
    """Projects out a random direction."""
    v = torch.randn(x.shape[1], generator=seeded(0)).to(x)
    return Eraser(x.mean(0), torch.outer(v, v) / (v @ v))


def readable(x: Tensor) -> float:
    """AUC of new probes on words that neither they nor the eraser were fitted on."""
    x, found = x.cpu(), []
    for train, test in ((1, 2), (2, 1)):
        probe = logistic(x[part == train], good[part == train])
        found.append(auc(probe.scores(x[part == test]), good[part == test]))
    return sum(found) / 2


ALL = range(LAYER, model.cfg.n_layers)
RUNS = {
    "nothing": ([], leace),
    "LEACE, before block 16": ([LAYER], leace),
    "LEACE, before each block from 16": (ALL, leace),
    "difference of means, each block": (ALL, by_means),
    "random direction, each block": (ALL, by_chance),
}
shown, gaps = [], {}
for name, (layers, fit) in RUNS.items():
    inside, logits = erase_while_running(
        model, asked, ends, good.to(device), layers=layers, fit=fit, fit_rows=(part == 0).to(device)
    )
    says = feeling(logits)
    gaps[name] = [
        (says[rest & (good == 1)].mean() - says[rest & (good == 0)].mean()).item()
        for rest in (part == 0, part > 0)
    ]
    aucs = [readable(inside[layer]) for layer in (LAYER, LAYER + 1, 29)]
    gaps[name] += aucs
    shown.append((name, *(f"{x:.2f}" for x in aucs), f"{gaps[name][1]:+.2f}"))
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

# %% [markdown]
# Three results.
#
# - **Not gone from other words.** Erased from 40 words, the concept is still read from others with an AUC of **0.66** by a new probe (`1.0` before). The guarantee is for the rows that were fitted.
# - **One block later it is back.** Later heads copy it again from earlier tokens, so one erasure at one token changes what the model says by little. A probe that finds nothing at one layer does not show that the model has no access.
# - **Erased before every block, it no longer decides.** The difference between good and bad words in what the model says falls to a small part. A random direction changes nothing. Projecting out the difference of means does as well here as LEACE: with 40 words there is little of the covariance to learn from.

# %% tags=["numbers"]
none, once, always, means, chance = gaps.values()
claim("new probe after LEACE", once[2], text=0.66, within=0.09)
assert none[2] > 0.98 and once[3] > 0.95 and once[1] > 0.8 * none[1]
assert always[1] < 0.3 * none[1] and means[1] < 0.3 * none[1] and chance[1] > 0.9 * none[1]

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
            f"PC1 {of_pc:.2f}; random directions {sum(random_agrees) / 40:.2f}; whitened {white_mean:.2f}",
            "6 models, 10 data sets: 4% above zero-shot on average (Burns et al.)",
        ),
        ("loss of CCS, random labels", f"{worst:.0e}", f"best random start {min(losses):.0e}", ""),
        (
            "PC1 with Banana / Shed: the distractor",
            f"{wins['Banana. / Shed.'][1][1]:.2f}",
            f"truth {wins['Banana. / Shed.'][1][0]:.2f}",
            "CCS and PC1 find it, Chinchilla-70B (Farquhar et al.)",
        ),
        (
            "happy - sad after LEACE at each block",
            f"{gaps['LEACE, before each block from 16'][1]:.2f}",
            f"nothing erased {gaps['nothing'][1]:.2f}; random direction {gaps['random direction, each block'][1]:.2f}",
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
# - Taking a low loss without labels as evidence for what was found.
# - Testing an erasure with a probe trained on the rows that it was fitted on.
# - Erasing at one token of one layer, and concluding that the model does not use the concept.
#
# ## Where this breaks
#
# One small model, and one family of pairs on which CCS works well. The sentences are templates. Whitening uses 136 rows in `576` dimensions, where it makes all pairs alike; with many more rows it would leave structure.
# What the distractor's variance predicts is PC1 by construction, nearly; for CCS it is a tendency.
#
# ## Further reading
#
# - Burns, Ye, Klein and Steinhardt (2022), *Discovering Latent Knowledge in Language Models Without Supervision*, arXiv 2212.03827
# - Farquhar et al. (2023), *Challenges with unsupervised LLM knowledge discovery*, arXiv 2312.10029
# - Belrose et al. (2023), *LEACE: Perfect linear concept erasure in closed form*, arXiv 2306.03819
#
# **Map:**

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("22")
