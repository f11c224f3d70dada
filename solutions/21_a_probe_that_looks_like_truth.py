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
# # 2.1 · A probe that looks like truth
#
# [![Open lesson 2.1 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/21_a_probe_that_looks_like_truth.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.5 · Finding circuits automatically](15_circuit_discovery.ipynb) | **Next:** [2.2 · Probing without labels](22_probing_without_labels.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. train linear probes on a model's activations, and choose their layer by cross-validation;
# 2. build the controls that a probe's result needs: random directions, shuffled labels, and the rows that a data set left out;
# 3. say which of several properties a probe reads, when "truth" is only one of them.
#
# **Time** one hour for the core, and 40 minutes for *Going deeper*. **Needs** lessons 00 and 1.1: tokens, hooks, the residual stream.
# **Runs** in about a minute and a half on a laptop's processor.
#
# **First, play.** The second cell draws activations of SmolLM2 for 272 statements, such as "The opposite of hot is cold." Move its slider through the layers.
# True and false, with "not" and without: where do the four groups come apart? Where would you draw the line between true and false?

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
from collections.abc import Callable, Hashable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import plots, stats
from utils.activations import activations, next_logits
from utils.checks import lesson_21
from utils.checks.predict import outcome, predict
from utils.lesson import claim
from utils.models import load
from utils.reading import figures, probes
from utils.reading.probes import Fit, Pairs, folds_of, split_by_group

model = load()
with (root / "data" / "facts" / "facts.csv").open(encoding="utf-8", newline="") as file:
    facts = [row | {k: int(row[k]) for k in ("label", "negated")} for row in csv.DictReader(file)]

TOPICS = ("capitals", "cities", "kinds", "opposites")
AFFIRMATIVE, NEGATED = ([(topic, negated) for topic in TOPICS] for negated in (0, 1))
TABLES = {
    key: [row for row in facts if (row["family"], row["negated"]) == key]
    for key in AFFIRMATIVE + NEGATED
}
DEEPEST = model.cfg.n_layers - 1  # the last block's input


def at_full_stop(key: tuple[str, int], deepest: int = DEEPEST) -> Tensor:
    """The residual stream at each statement's full stop, [layer, statement, d_model]."""
    return activations(model, [row["statement"] for row in TABLES[key]], layers=deepest)


acts = {key: at_full_stop(key) for key in [*AFFIRMATIVE, ("opposites", 1)]}
labels = {key: torch.tensor([row["label"] for row in rows]) for key, rows in TABLES.items()}


def picture(layer: int, topic: str = "opposites"):
    """The first two principal components of a topic's statements, each pair's mean taken away."""
    rows = TABLES[topic, 0] + TABLES[topic, 1]
    x = torch.cat([acts[topic, 0][layer], acts[topic, 1][layer]])
    for pair in {row["pair"] for row in rows}:
        members = torch.tensor([row["pair"] == pair for row in rows])
        x[members] -= x[members].mean(0)
    xy = x @ torch.linalg.svd(x, full_matrices=False)[2][:2].T
    groups, texts = {}, {}
    for negated, label in ((0, 1), (0, 0), (1, 1), (1, 0)):
        name = ("not: " if negated else "") + ("true" if label else "false")
        which = [
            i for i, row in enumerate(rows) if (row["negated"], row["label"]) == (negated, label)
        ]
        groups[name], texts[name] = xy[which], [rows[i]["statement"] for i in which]
    # A component's sign means nothing: "not" to the right, true affirmative statements on top.
    signs = (
        groups["not: true"].mean(0)[0].sign(),
        (groups["true"] - groups["false"]).mean(0)[1].sign(),
    )
    groups = {name: points * torch.stack(signs) for name, points in groups.items()}
    title = f"Layer {layer}: where does truth lie in this picture?"
    axes = {"x": "first principal component", "y": "second principal component"}
    return figures.clouds(groups, title=title, texts=texts, **axes)


figures.slider(picture, n=DEEPEST + 1, label="layer", at=15)

# %% [markdown]
# ## 1. What the picture shows
#
# No labels were used: these are the two directions in which the activations vary most. (Each statement has a twin with another ending, and both have versions with "not"; what such a
# *pair* has in common was subtracted.) From layer 12 on, true affirmative statements lie above false ones. So does the model know truth from falsehood? Look at the statements with "not" before you answer.
#
# A **probe** is a small classifier that is trained on a model's activations. A *linear* probe is a direction and a threshold. Probes are how the field asks what a model represents, and
# the literature has found "truth directions" with them ([Marks and Tegmark 2023](https://arxiv.org/abs/2310.06824)). In this lesson you build such a probe, give it every control, and find out what it reads.
#
# The data (`data/facts/README.md`) have four topics. Two facts make a **pair** and exchange their endings, so that every subject and every ending stands in one
# true and one false statement. No single word tells true from false.

# %%
plots.table(
    [
        (row["label"], row["statement"], other["label"], other["statement"])
        for topic in TOPICS
        for row, other in list(zip(TABLES[topic, 0], TABLES[topic, 1], strict=True))[20:22]
    ],
    columns=["true?", "affirmative", "true?", "negated"],
)

# %% [markdown]
# We read the residual stream at the full stop, the first token that has seen the complete statement. **Layer L** is the residual stream before block L, from 0, the embedding, to 29. `acts[topic, negated]` has shape
# [30 layers, statements, 576].

# %%
predict(
    "21.layer",
    "From which layer on will a probe on affirmative statements be right about 7 of 10 held-out ones?",
    choices=["layer 0, the embedding", "about layer 6", "about layer 12", "about layer 24"],
)
predict(
    "21.negated",
    "A probe is trained on affirmative statements only. Of two statements with 'not' about the same subject, "
    "how often will it score the true one higher?",
    choices=["mostly (above .65)", "about half the time", "rarely (below .35)"],
)

# %% [markdown]
# ## 2. Build the probe
#
# The simplest probe is the difference of means: its direction points from the mean of the false statements to the mean of the true ones. It needs a threshold too. Its score
# is `x @ direction + bias`, and a score above 0 says "true".
#
# ### Exercise 1 · the difference of means (6 minutes, easy)


# %%
def mean_difference(
    x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, ""]]:
    """The direction from the mean of the rows with label 0 to that of label 1, and a bias.

    The bias puts the score `x @ direction + bias` at 0 halfway between the two means.

    Args:
        x: activations.
        y: labels, 0 and 1. The direction is not normalised.
    """
    ### BEGIN SOLUTION
    yes, no = x[y == 1].mean(0), x[y == 0].mean(0)
    direction = yes - no
    return direction, -(yes + no) @ direction / 2
    ### END SOLUTION


# %% tags=["check"]
mean_difference = lesson_21.check_mean_difference(mean_difference)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# What is the score of the point halfway between the means, `(yes + no) / 2`, without a bias? The bias must take that away.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The midpoint is the mean of the *two means*. The mean of all rows is another point when there are more rows of one label.
#
# </details>

# %% [markdown]
# A probe has 576 weights and there are about 200 statements a topic, so it can be right about all statements that it was trained on. It must be tested on others. **Cross-validation** cuts the data into
# five folds, trains on four and tests on the fifth, five times. All statements of a pair must lie in one fold: endings are exchanged, so a probe that has learnt that "London" goes with
# "false" would be wrong about the other statement with "London", for no good reason, and accuracy falls below a half. `folds_of` gives the fold of each row.
#
# ### Exercise 2 · sweep all layers (12 minutes, medium)


# %% tags=["exercise:utils.reading.probes.layer_sweep"]
def layer_sweep(
    x: Float[Tensor, "layer n d_model"],
    y: Int[Tensor, " n"],
    fold: Int[Tensor, " n"],
    *,
    fit: Fit,
) -> Float[Tensor, "layer n"]:
    """1.0 where a probe that was fitted at this layer on the *other* folds is right about a row.

    Args:
        y: labels, 0 and 1.
        fold: of each row, as `folds_of` gives it; any whole numbers will do.
        fit: takes x [rows, d_model] and y [rows], and gives a direction [d_model] and a bias,
            such as `mean_difference` does. A score above 0 says 1.

    Raises:
        ValueError: there is one fold only.
    """
    ### BEGIN SOLUTION
    right = torch.zeros(x.shape[:2])
    for held in fold.unique():
        out = fold == held
        for layer in range(len(x)):
            direction, bias = fit(x[layer, ~out], y[~out])
            says = x[layer, out] @ direction + bias > 0
            right[layer, out] = (says == (y[out] == 1)).float()
    return right
    ### END SOLUTION


# %% tags=["check"]
layer_sweep = lesson_21.check_layer_sweep(layer_sweep)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two loops, over the folds and over the layers. In each fold, `out = fold == held` marks the rows to test on, and `~out` those to fit on.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `direction, bias = fit(x[layer, ~out], y[~out])`. The scores of the rows held out are `x[layer, out] @ direction + bias`; the probe says 1 where they are above 0. Write `1.0` into
# `right[layer, out]` where that equals the label.
#
# </details>

# %% [markdown]
# Forty per cent of the pairs of each topic are put aside as the **test set**. The layer is chosen on the others, the **training set**, as the best mean over the four topics.

# %%
N_SEED = 0
out_of = {
    key: split_by_group(
        [row["pair"] for row in rows], test=0.4, generator=torch.Generator().manual_seed(N_SEED)
    )
    for key, rows in TABLES.items()
}


def training(key: tuple[str, int]) -> tuple[Tensor, Tensor, list[str]]:
    """Activations [layer, n, d_model], labels and pairs of the training set of a table."""
    keep = ~out_of[key]
    pairs = [row["pair"] for row, kept in zip(TABLES[key], keep, strict=True) if kept]
    return acts[key][:, keep], labels[key][keep], pairs


swept = {}
for key in AFFIRMATIVE:
    x, y, pairs = training(key)
    swept[key[0]] = layer_sweep(x, y, folds_of(pairs), fit=mean_difference).mean(1)
mean_of_topics = torch.stack(list(swept.values())).mean(0)
LAYER = int(mean_of_topics.argmax())
plots.lines(
    {topic: accuracy.tolist() for topic, accuracy in swept.items()}
    | {"mean of topics": mean_of_topics.tolist()},
    title="Truth cannot be read at the embedding, and is read best in the middle",
    x="layer",
    y="cross-validated accuracy",
    chance=0.5,
)

# %%
outcome("21.layer", "about layer 12")


def pairs_of(key: tuple[str, int], layer: int) -> Pairs:
    """The test set of a table: for each subject a true and a false statement."""
    out = out_of[key]
    rows = [row for row, chosen in zip(TABLES[key], out, strict=True) if chosen]
    return Pairs(acts[key][layer, out], labels[key][out], [(r["pair"], r["subject"]) for r in rows])


def accuracies(fit: Fit, layer: int) -> list[float]:
    """A probe's accuracy on the test set of its own topic, for each topic."""
    found = []
    for key in AFFIRMATIVE:
        x, y, _ = training(key)
        direction, bias = fit(x[layer], y)
        test = pairs_of(key, layer)
        right = (test.x @ direction + bias > 0) == (test.labels == 1)
        found.append(right.float().mean().item())
    return found


def without_bias(x, y):
    """The same direction with its threshold at 0."""
    return mean_difference(x, y)[0], torch.tensor(0.0)


fits = {
    "difference of means": mean_difference,
    "the same without its bias": without_bias,
    "logistic regression": probes.logistic,
}
tested = {name: accuracies(fit, LAYER) for name, fit in fits.items()}
plots.table(
    [(name, *(f"{value:.2f}" for value in values)) for name, values in tested.items()],
    columns=[f"accuracy on the test set, layer {LAYER}", *TOPICS],
)

# %% [markdown]
# The layer chosen is **15**. There the difference of means reaches **0.83** on capitals and **0.86** on opposites; cities are hardly read. Logistic regression, which
# weighs the coordinates so that the two classes come apart best, does no better than that on the whole. Without its bias the same direction scores **0.50** on capitals: all activations lie far out on one side. A
# published probe can lose its result to this one line.

# %% tags=["numbers"]
means, bare = (dict(zip(TOPICS, tested[name], strict=True)) for name in list(fits)[:2])
claim("layer", LAYER, text=15, within=0)
claim("capitals", means["capitals"], text=0.83, within=0.06)
claim("opposites", means["opposites"], text=0.86, within=0.06)
claim("without the bias", bare["capitals"], text=0.50, within=0.02)

# %% [markdown]
# ## 3. Does it look like truth?
#
# A direction of *truth* should serve other topics as well. So train on one topic and test on the others. A threshold need not carry over between topics, so the measure is now: of the true and the false statement about one subject, does
# the true one score higher? Then the probe **chooses right**. Chance is `.50`, and no threshold is involved.
#
# But chance for *what*? Activations of short sentences vary along few directions. Any direction may have some overlap with whatever tells true from false, and then it
# transfers as well as a trained one does, with a random sign. You need to know how far directions get that have learnt nothing. Two such controls are
#
# - **random directions**, drawn from a normal distribution;
# - **shuffled labels**: the same probe fitted to the same activations, with the labels of its training rows permuted. Its direction lies where the activations vary, so this control is harder to beat.
#
# ### Exercise 3 · transfer, with its controls (12 minutes, medium)


# %% tags=["exercise:utils.reading.probes.transfer_with_controls"]
def transfer_with_controls(
    x: Float[Tensor, "n_rows d_model"],
    y: Int[Tensor, " n_rows"],
    tests: Sequence,
    *,
    fit: Fit,
    n: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, " test"], Float[Tensor, "test n"], Float[Tensor, "test n"]]:
    """How often the probe fitted to (x, y) chooses right on each test, beside two controls.

    Args:
        tests: each a `Pairs`; `test.choices(directions)` turns directions [n, d_model] into
            choices [n, group].
        n: how many directions a control has: the same ones for all tests.
        generator: of the controls.

    Returns:
        The probe's share of right choices on each test; the same for `n` directions drawn from a
        standard normal distribution; and for `n` probes fitted to x with its labels shuffled.
    """
    ### BEGIN SOLUTION
    probe = fit(x, y)[0]
    random = torch.randn(n, x.shape[1], generator=generator)
    deals = [y[torch.randperm(len(y), generator=generator)] for _ in range(n)]
    shuffled = torch.stack([fit(x, deal)[0] for deal in deals])
    return tuple(
        torch.stack([test.choices(directions).mean(-1) for test in tests])
        for directions in (probe, random, shuffled)
    )
    ### END SOLUTION


# %% tags=["check"]
transfer_with_controls = lesson_21.check_transfer_with_controls(transfer_with_controls)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Make three sets of directions first: the probe's own, [d_model]; random ones, [n, d_model]; and `n` probes' directions, each fitted to `y[torch.randperm(len(y), generator=generator)]`, stacked.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For one set: `torch.stack([test.choices(directions).mean(-1) for test in tests])`. The mean is over the groups, the last axis.
#
# </details>

# %%
for key in NEGATED:  # they need run up to this layer only
    acts.setdefault(key, at_full_stop(key, LAYER))
N_CONTROLS = 200
generator = torch.Generator().manual_seed(0)
transfer = {}
for key in AFFIRMATIVE:
    x, y, _ = training(key)
    transfer[key[0]] = transfer_with_controls(
        x[LAYER],
        y,
        [pairs_of(test, LAYER) for test in AFFIRMATIVE + NEGATED],
        fit=mean_difference,
        n=N_CONTROLS,
        generator=generator,
    )


def draw_transfer(keys: list[tuple[str, int]], title: str):
    """Each topic's probe on these tests, beside the bands of both controls."""
    names = {
        ("not: " if key[1] else "") + key[0]: (AFFIRMATIVE + NEGATED).index(key) for key in keys
    }
    dots = {
        name: {f"trained on {topic}": float(found[0][i]) for topic, found in transfer.items()}
        for name, i in names.items()
    }
    controls = {"random directions": 1, "shuffled labels": 2}
    bands = {
        control: {
            name: stats.percentiles(torch.cat([found[k][i] for found in transfer.values()]))
            for name, i in names.items()
        }
        for control, k in controls.items()
    }
    return figures.beside_controls(dots, bands, title=title, y="share of right choices")


draw_transfer(AFFIRMATIVE, "Do probes of one topic choose right on another?")


# %%
def beyond(keys: list[tuple[str, int]]) -> dict[tuple[str, tuple[str, int]], int]:
    """1 above both bands, -1 below both, for each transfer to another topic."""
    found = {}
    for topic, (value, *_) in transfer.items():
        for key in keys:
            i = (AFFIRMATIVE + NEGATED).index(key)
            of_all = [torch.cat([f[k][i] for f in transfer.values()]) for k in (1, 2)]
            bands = [stats.percentiles(each) for each in of_all]
            above = all(value[i] > band.high for band in bands)
            below = all(value[i] < band.low for band in bands)
            found[topic, key] = int(above) - int(below)
    return found


affirmed = {k: v for k, v in beyond(AFFIRMATIVE).items() if k[0] != k[1][0]}
n_above = sum(v > 0 for v in affirmed.values())
print(f"above both bands, on another topic: {n_above} of {len(affirmed)}")

# %% [markdown]
# The bars hold 95% of the control directions. They are wide: on kinds, where few directions matter, a probe that has learnt from shuffled labels often chooses right in
# four cases of five, or in one of five. A transfer of `.78` looks good beside `.50`, and proves nothing there.
#
# Away from the probes' own topics, **4** of 12 transfers lie beyond both bars, all of them above, and all among capitals, cities and kinds. So some directions serve more than one topic, and
# held-out pairs and two controls did not stop them. It looks like truth.
#
# Now the statements with "not".


# %% tags=["numbers"]
claim("transfers above both bands", n_above, text=4, within=0)
assert min(affirmed.values()) == 0

# %%
draw_transfer(NEGATED, "The same probes, on statements with 'not'")

# %%
outcome("21.negated", "rarely (below .35)")
denied = {topic: found[0][4:] for topic, found in transfer.items()}
own_with_not = [values[i].item() for i, values in enumerate(denied.values())]
plots.table(
    [(topic, *(f"{value:.2f}" for value in values)) for topic, values in denied.items()],
    columns=["trained on", *(f"not: {topic}" for topic in TOPICS)],
)

# %% [markdown]
# The probes are not lost: they choose *wrong*. On "not" statements of its own topic, each is below both of its bands; on those of other topics, 3 of 12 are. They prefer "The capital of France is not Paris." That is what the
# picture at the top showed: with "not", true lies below false.
#
# A probe that says the opposite of the truth about every second statement does not read truth. **What does it read?** Something that "Paris is" and "Paris is not" share.

# %% tags=["numbers"]
refused = beyond(NEGATED)
print(refused)
assert max(own_with_not) < 0.45 and sum(own_with_not) / 4 < 0.25
assert max(refused.values()) == 0 and sum(refused.values()) <= -6

# %% [markdown]
# ## 4. Two directions
#
# [Bürger and others (2024)](https://arxiv.org/abs/2407.12831) met this reversal in larger models and proposed that there are *two* directions. With `tau` = 1 for true and -1 for false statements, and the **polarity** `p` = 1 for
# affirmative and -1 for negated ones, they fit each activation as
#
# `x = mu + tau * t_G + tau * p * t_P`.
#
# The **general** direction `t_G` points to the true statements of both kinds. The **polarity-sensitive** direction `t_P` turns round with "not". A probe trained on affirmative statements finds the sum
# `t_G + t_P`; one trained on negated statements finds `t_G - t_P`. If `t_P` is the longer one, each fails on the other's statements.
#
# In our data `tau * p` has a plain meaning: it is 1 where the statement **names the right answer**, whether it affirms or denies it.
#
# ### Exercise 4 · fit both directions (10 minutes, medium)


# %% tags=["exercise:utils.reading.probes.truth_directions"]
def truth_directions(
    x: Float[Tensor, "n d_model"],
    labels: Int[Tensor, " n"],
    negated: Int[Tensor, " n"],
    topics: Sequence[Hashable],
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """The general truth direction t_G and the polarity-sensitive one, t_P, by least squares.

    The model of each row is `x = mu + tau * t_G + tau * p * t_P`: tau is 1 for true and -1 for
    false statements, p is 1 for affirmative and -1 for negated ones, and mu is the mean of all
    rows of the same topic *and* the same p.

    Source: Bürger et al., 2024 (arXiv 2407.12831).

    Args:
        labels: 1 true, 0 false.
        negated: 1 where the statement has a "not", else 0.
        topics: what each row is about.
    """
    ### BEGIN SOLUTION
    centred = x.clone()
    tables = list(zip(topics, negated.tolist(), strict=True))
    for table in set(tables):
        rows = torch.tensor([each == table for each in tables])
        centred[rows] -= x[rows].mean(0)
    tau, p = 2.0 * labels - 1, 1.0 - 2 * negated
    t_g, t_p = torch.linalg.lstsq(torch.stack([tau, tau * p], dim=1), centred).solution
    return t_g, t_p
    ### END SOLUTION


# %% tags=["check"]
truth_directions = lesson_21.check_truth_directions(truth_directions)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First subtract `mu`: for each combination of a topic and a polarity, the mean of its rows. Then what is left is a linear regression of `x` [n, d_model] on two columns, `tau` and `tau * p` [n, 2].
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.linalg.lstsq(A, B).solution` gives the least-squares W with `A @ W` close to `B`; with `A = torch.stack([tau, tau * p], dim=1)` its two rows are `t_G` and `t_P`. Mind the types: `2.0 * labels - 1` makes floats.
#
# </details>


# %%
def directions_of(topics: Sequence[str], layer: int, shuffle: torch.Generator | None = None):
    """t_G and t_P of the training sets of some topics; with a generator, of shuffled labels."""
    x, y, negated, topic = [], [], [], []
    for key in [(topic, n) for topic in topics for n in (0, 1)]:
        x_key, y_key, _ = training(key)
        if shuffle:
            y_key = y_key[torch.randperm(len(y_key), generator=shuffle)]
        x.append(x_key[layer])
        y.append(y_key)
        negated.append(torch.full_like(y_key, key[1]))
        topic += [key[0]] * len(y_key)
    return truth_directions(torch.cat(x), torch.cat(y), torch.cat(negated), topic)


t_g, t_p = directions_of(TOPICS, LAYER)
generator = torch.Generator().manual_seed(0)
by_luck = [directions_of(TOPICS, LAYER, shuffle=generator) for _ in range(50)]
longest = [max(each.norm().item() for each in found) for found in zip(*by_luck, strict=True)]
plots.table(
    [
        (name, f"{found.norm():.2f}", f"{luck:.2f}")
        for name, found, luck in zip(("t_G", "t_P"), (t_g, t_p), longest, strict=True)
    ],
    columns=[f"layer {LAYER}", "length", "longest of 50, labels shuffled"],
)

# %% [markdown]
# `t_P` is **3.2** times as long as `t_G`, and `t_G` is no longer than with shuffled labels. So the affirmative probe, `t_G + t_P`, is nearly `t_P`: it reads "the right answer is named".
#
# A short direction may still be real. The sharp test is a direction's share of right choices **in both polarities**: the mean of its share on affirmative and on negated statements. A direction that ignores "not" gets
# `.50` here, however well it reads which answer is right: what it wins on one kind it loses on the other. To call a direction *general*, test it on a topic that was left out of its fit.

# %% tags=["numbers"]
claim("t_P over t_G", t_p.norm() / t_g.norm(), text=3.2, within=0.45)
assert t_g.norm() < longest[0] * 1.15 and t_p.norm() > 1.8 * longest[1]
affirmative_probe, negated_probe = t_g + t_p, t_g - t_p
assert torch.cosine_similarity(affirmative_probe, negated_probe, dim=0) < -0.7


# %%
def in_both(directions: Tensor, topic: str, layer: int) -> Tensor:
    """Share of right choices on a topic's test set, the mean of affirmative and negated."""
    return sum(pairs_of((topic, n), layer).choices(directions).mean(-1) for n in (0, 1)) / 2


def both_of(layer: int) -> dict[str, Tensor]:
    """For each topic [4]: t_G fitted to all topics, and to all but this one; and t_P."""
    general, polar = directions_of(TOPICS, layer)
    others = {t: directions_of([o for o in TOPICS if o != t], layer)[0] for t in TOPICS}
    return {
        "t_G": torch.stack([in_both(general, t, layer) for t in TOPICS]),
        "t_G, topic left out": torch.stack([in_both(others[t], t, layer) for t in TOPICS]),
        "t_P": torch.stack([in_both(polar, t, layer) for t in TOPICS]),
    }


both = both_of(LAYER)
random = torch.randn(N_CONTROLS, model.cfg.d_model, generator=torch.Generator().manual_seed(0))
band = {topic: stats.percentiles(in_both(random, topic, LAYER)) for topic in TOPICS}
luck = {
    topic: stats.percentiles(in_both(torch.stack([g for g, _ in by_luck]), topic, LAYER))
    for topic in TOPICS
}
figures.beside_controls(
    {
        topic: {name: float(values[i]) for name, values in both.items()}
        for i, topic in enumerate(TOPICS)
    },
    {"random directions": band, "t_G of shuffled labels": luck},
    title="Right in both polarities: t_G on its own topics, hardly on a topic left out",
    y="right choices, mean of both polarities",
)

# %% [markdown]
# On held-out pairs of the topics that it was fitted to, `t_G` is right in both polarities more often than its controls, for capitals and for kinds: **0.69** and **0.77**. So there is a part that minds "not".
# With the topic left out of the fit, capitals keep theirs, and cities stay just above their bands; kinds lose it, and opposites had none. `t_P` scores about `.50` everywhere, as a direction that ignores "not" must.
#
# In the paper, with models of 7 to 13 billion parameters, one `t_G` serves topics and polarities alike. In this small model we find a direction of "the right answer is named", strong and shared, and a weak one of truth that two topics of four confirm, one of them barely. *Did not replicate* here does not mean
# that the paper is wrong: this model may be too small to work out "not".
#
# Can it? Ask the model itself. After "The capital of France is" and after "The capital of France is not", compare the log-probabilities of the right and of the pair's other answer.

# %% tags=["numbers"]
own, left_out = both["t_G"], both["t_G, topic left out"]
claim("capitals, in both", own[0], text=0.69, within=0.07)
claim("kinds, in both", own[2], text=0.77, within=0.07)
for i in (0, 2):
    assert own[i] > max(band[TOPICS[i]].high, luck[TOPICS[i]].high)
assert left_out[0] > band["capitals"].high
assert left_out[2] < band["kinds"].high and left_out[3] < band["opposites"].high
assert (both["t_P"] - 0.5).abs().max() < 0.12


# %%
def preference(key: tuple[str, int]) -> tuple[Tensor, list[str]]:
    """log p(right answer) - log p(the pair's other answer), for each subject; and the pairs."""
    rows = [row for row in TABLES[key] if row["shown"] != row["right"]]
    begun = [row["statement"].removesuffix(f" {row['shown']}.") for row in rows]
    log_p = next_logits(model, begun).log_softmax(-1)

    def of(answers: list[str]) -> Tensor:
        first = [model.to_tokens(" " + a, prepend_bos=False)[0, 0].item() for a in answers]
        return log_p[torch.arange(len(rows)), first]

    right, other = of([row["right"] for row in rows]), of([row["shown"] for row in rows])
    return right - other, [row["pair"] for row in rows]


ASKED = ("capitals", "opposites")
gaps = {(topic, n): preference((topic, n)) for topic in ASKED for n in (0, 1)}
turned = {
    topic: stats.bootstrap(gaps[topic, 0][0] - gaps[topic, 1][0], groups=gaps[topic, 0][1])
    for topic in ASKED
}
plots.table(
    [
        (
            topic,
            f"{gaps[topic, 0][0].mean():.2f}",
            f"{gaps[topic, 1][0].mean():.2f}",
            "{:.2f} to {:.2f}".format(*turned[topic]),
        )
        for topic in ASKED
    ],
    columns=[
        "right minus other answer, nats",
        "without not",
        "with not",
        "difference, 95% interval",
    ],
)

# %% [markdown]
# "Not" lowers the preference for the right answer, and does not turn it round: after "is not" the model still expects the right answer. (First tokens only. And people
# who write "The capital of France is not" rarely go on to London, so that even a model that understands "not" might do this.) Probe and model agree: what is at hand here is which answer fits.

# %% tags=["numbers"]
for topic in ASKED:
    print(topic, gaps[topic, 0][0].mean(), gaps[topic, 1][0].mean(), turned[topic])
    assert gaps[topic, 1][0].mean() > 0

# %% [markdown]
# ## 5. Investigation: three good probes
#
# Three colleagues each collected statements, trained a probe with logistic regression at layer 15, and split by pair. Their accuracies are high. One probe reads what
# this lesson's probe reads. The two others read something that their data set leaks: a property that goes with the label in *their* rows only.
#
# Each data set is a part of a complete table of yours. So there is a control that needs no guess: fit the probe on the rows that were **kept**, and test it on the rows that were **left out**. A probe of what it claims is as good there. A probe
# of a leak is worse, or wrong about all.
#
# ### Exercise 5 · the rows that were left out (10 minutes, medium)


# %% tags=["exercise:utils.reading.probes.kept_and_left_out"]
def kept_and_left_out(
    x: Float[Tensor, "n d_model"],
    y: Int[Tensor, " n"],
    fold: Int[Tensor, " n"],
    kept: Bool[Tensor, " n"],
    *,
    fit: Fit,
) -> tuple[float, float]:
    """Cross-validated accuracy on the rows that a data set kept, and on those that it left out.

    The probe is fitted on the *kept* rows of the other folds only.

    Args:
        x, y: the complete table, of which the data set kept some rows.
        fold: of each row; rows of one group are in one fold.
        kept: True where the data set has the row, else False.
    """
    ### BEGIN SOLUTION
    right = torch.zeros(len(y))
    for held in fold.unique():
        out = fold == held
        direction, bias = fit(x[~out & kept], y[~out & kept])
        says = x[out] @ direction + bias > 0
        right[out] = (says == (y[out] == 1)).float()
    return right[kept].mean().item(), right[~kept].mean().item()
    ### END SOLUTION


# %% tags=["check"]
kept_and_left_out = lesson_21.check_kept_and_left_out(kept_and_left_out)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# As in exercise 2, loop over the folds. Which rows may the probe be fitted on? Those of other folds *and* kept: `~out & kept`. It is tested on all rows of its fold.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Collect `1.0` or `0.0` for every row in `right`, over all folds. At the end return `right[kept].mean().item()` and `right[~kept].mean().item()`.
#
# </details>

# %%
collected = lesson_21.collected(TABLES)  # name -> the tables it was taken from, and the rows kept


def complete(name: str) -> tuple[list[dict], Tensor, Tensor, Tensor, Tensor]:
    """Of one data set: all rows of its tables, their activations, labels and folds, and `kept`."""
    keys, kept = collected[name]
    rows = [row for key in keys for row in TABLES[key]]
    x = torch.cat([acts[key][LAYER] for key in keys])
    y = torch.tensor([row["label"] for row in rows])
    return rows, x, y, folds_of([row["pair"] for row in rows]), kept


def claimed(name: str) -> float:
    """The accuracy that the colleague reports, cross-validated by pair on the kept rows."""
    rows, x, y, _, kept = complete(name)
    pairs = [row["pair"] for row, has in zip(rows, kept, strict=True) if has]
    return layer_sweep(x[None, kept], y[kept], folds_of(pairs), fit=probes.logistic).mean().item()


plots.table(
    [(name, int(complete(name)[4].sum()), f"{claimed(name):.2f}") for name in collected],
    columns=["data set", "rows", "accuracy, split by pair"],
)

# %% [markdown]
# ### Investigation · what does each probe read? (12 minutes, medium)
#
# For each of "P", "Q" and "R": look at some rows (`complete("P")`: which statements are kept, with which label?), run your control, and say what the probe reads. Hand in a dictionary from the name to
# one of `"answer"` (the right answer is named), `"not"` (the statement has a "not"), `"continent"` (of the place that is named), or `"alphabet"` (the first letter of the answer): `reads = {"P": "answer", ...}`.

# %% tags=["answer:reads"]
### BEGIN SOLUTION
reads = {"P": "continent", "Q": "not", "R": "answer"}
### END SOLUTION

# %% tags=["check"]
reads = lesson_21.check_reads(reads)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Print the true statements of a data set under each other, then the false ones. What have they in common?
#
# </details>
# <details><summary>Hint 2</summary>
#
# The control separates the leaks from the honest one. An accuracy near 0 on the rows left out belongs to a property that is easy to read and decides everything.
#
# </details>

# %%
controlled = {}
for name in collected:
    _, x, y, fold, kept = complete(name)
    controlled[name] = kept_and_left_out(x, y, fold, kept, fit=probes.logistic)
plots.bars(
    {
        f"{name}:<br>{what}": value
        for name, values in controlled.items()
        for what, value in zip(("kept", "left out"), values, strict=True)
    },
    title="On the rows left out, two of three good probes are worse than chance",
    y="accuracy (cross-validated)",
    chance=0.5,
)

# %% [markdown]
# A split by pair did not help against these leaks, since they are the same for all pairs. What helps is data in which the property and the label are independent: *balance* it, or score the combinations that are missing.

# %% tags=["numbers"]
print(controlled)
assert controlled["P"][0] > 0.75 and controlled["P"][1] < 0.45
assert controlled["Q"][0] > 0.97 and controlled["Q"][1] < 0.05
assert min(controlled["R"]) > 0.8

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            f"accuracy on held-out pairs, layer {LAYER}",
            ", ".join(f"{v:.2f}" for v in tested["difference of means"]),
            ", ".join(f"{v:.2f}" for v in tested["the same without its bias"])
            + " without its bias",
            "",
        ),
        (
            "transfers to another topic above both bands",
            f"{n_above} of 12",
            "95% of 200 random and 200 shuffled directions",
            "carries over between data sets (Marks and Tegmark, LLaMA-2)",
        ),
        (
            "own topic, with 'not': right choices",
            ", ".join(f"{v:.2f}" for v in own_with_not),
            ".50 by chance",
            "fails on negations (Levinstein and Herrmann, LLaMA)",
        ),
        (
            "t_P over t_G, lengths",
            f"{t_p.norm() / t_g.norm():.1f}",
            f"{longest[1] / longest[0]:.1f}, labels shuffled",
            "",
        ),
        (
            "t_G, right in both polarities",
            ", ".join(f"{v:.2f}" for v in both["t_G"]),
            ", ".join(f"{v:.2f}" for v in both["t_G, topic left out"]) + " with the topic left out",
            "one t_G for all topics (Bürger et al., 7B to 13B)",
        ),
        (
            "three data sets, logistic: kept",
            ", ".join(f"{controlled[name][0]:.2f}" for name in controlled),
            ", ".join(f"{controlled[name][1]:.2f}" for name in controlled) + " left out",
            "",
        ),
    ],
    columns=["", "SmolLM2-135M-Instruct", "control", "elsewhere (not measured here)"],
)

# %% [markdown]
# The topics are capitals, cities, kinds and opposites, in this order.
#
# **The sentence for the abstract:** in this model's residual stream at the full stop, a direction shared by several topics tells whether the right answer was named. It does not tell whether the statement is true.
#
# ## Going deeper A · A probe with more capacity
#
# A linear probe can only weigh coordinates. A two-layer network can do more: find what is there in no single direction, or learn its training rows by heart. How do you tell these two apart? By a **control task** ([Hewitt and Liang 2019](https://arxiv.org/abs/1909.03368)): labels with nothing behind them,
# a coin for each fact. Each fact comes twice here, affirmed and denied, with the same coin. Under a split *by row* a fact's twin is often in the training set, so that a probe that memorises facts is right about the coins. Accuracy on the real label minus accuracy on the coins is the probe's **selectivity**. (Under our split
# by pair every probe scores `.50` on coins, and selectivity says nothing new.)
#
# ### Exercise 6 · a two-layer probe (15 minutes, medium)


# %% tags=["exercise:utils.reading.probes.fit_mlp"]
def fit_mlp(
    x: Float[Tensor, "n d_model"],
    y: Int[Tensor, " n"],
    *,
    hidden: int = 32,
    steps: int = 200,
    generator: torch.Generator,
) -> Callable[[Float[Tensor, "m d_model"]], Float[Tensor, " m"]]:
    """A two-layer probe: what it returns maps rows to scores, and above 0 is a yes.

    Linear, ReLU, linear; trained on all rows at once with the binary cross-entropy of its scores,
    by AdamW with a learning rate of 0.003 and a weight decay of 0.01. Inputs are standardised by
    the training rows' mean and standard deviation, [d_model] each.

    Args:
        hidden: how many ReLUs.
        generator: of the first weights, which come from a normal distribution with standard
            deviation 0.05; biases start at 0.
    """
    ### BEGIN SOLUTION
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-6)
    weights = [
        0.05 * torch.randn(x.shape[1], hidden, generator=generator),
        torch.zeros(hidden),
        0.05 * torch.randn(hidden, generator=generator),
        torch.zeros(()),
    ]
    for weight in weights:
        weight.requires_grad_()

    def scores(rows):
        inside = ((rows - mean) / scale) @ weights[0] + weights[1]
        return inside.relu() @ weights[2] + weights[3]

    optimizer = torch.optim.AdamW(weights, lr=0.003, weight_decay=0.01)
    for _ in range(steps):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores(x), y.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return lambda rows: scores(rows).detach()
    ### END SOLUTION


# %% tags=["check"]
fit_mlp = lesson_21.check_fit_mlp(fit_mlp)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Four tensors will do: `0.05 * torch.randn(d_model, hidden, generator=generator)`, a bias, and the same for the second layer; call `.requires_grad_()` on each. (`torch.nn.Linear` draws its first weights from torch's global
# generator.) Compute `mean` and `scale` from the training rows once.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The loop: scores, `torch.nn.functional.binary_cross_entropy_with_logits(scores, y.float())`, `optimizer.zero_grad()`, `loss.backward()`, `optimizer.step()`. Return a `lambda rows:` that standardises in the same way, and detaches.
#
# </details>

# %%
rows = TABLES["capitals", 0] + TABLES["capitals", 1]
twice = torch.cat([acts["capitals", n][LAYER] for n in (0, 1)])
named = torch.tensor([row["shown"] == row["right"] for row in rows]).long()
by_row, by_pair = folds_of(range(len(rows))), folds_of([row["pair"] for row in rows])


def mlp_of(hidden: int):
    return lambda x, y: fit_mlp(x, y, hidden=hidden, generator=torch.Generator().manual_seed(0))


def linear(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    return probes.logistic(x, y).scores


def accuracy(fit: Callable, y: Tensor, fold: Tensor) -> float:
    """Cross-validated accuracy of a probe that `fit` returns as a function of rows."""
    right = torch.zeros(len(y))
    for held in fold.unique():
        out = fold == held
        right[out] = ((fit(twice[~out], y[~out])(twice[out]) > 0) == (y[out] == 1)).float()
    return right.mean().item()


coins = [
    torch.randint(2, (len(rows) // 2,), generator=torch.Generator().manual_seed(s)).repeat(2)
    for s in range(2)
]
capacity = {}
for name, fit in {"linear": linear, "8 ReLUs": mlp_of(8), "32 ReLUs": mlp_of(32)}.items():
    on_coins = [accuracy(fit, coin, by_row) for coin in coins]
    capacity[name] = accuracy(fit, named, by_pair), accuracy(fit, named, by_row), on_coins
plots.table(
    [
        (name, f"{pair:.2f}", f"{row:.2f}", ", ".join(f"{c:.2f}" for c in on_coins))
        for name, (pair, row, on_coins) in capacity.items()
    ],
    columns=[
        "probe",
        "right answer named, by pair",
        "the same, by row",
        "two sets of coins, by row",
    ],
)
# %% [markdown]
# More capacity finds nothing more about the right answer, by pair. And all of these probes memorise: by row they are right about coins more often than `.50`, where there is nothing to read. Beside a number for a strong probe, ask for its score on coins, or for a split that leaves nothing to remember.

# %% tags=["numbers"]
print(capacity)
for _pair, _row, on_coins in capacity.values():
    assert sum(on_coins) / 2 > 0.55
assert max(pair for pair, _, _ in capacity.values()) < capacity["linear"][0] + 0.05

# %% [markdown]
# ## Going deeper B · Does the direction carry the model's judgement?
#
# So far *we* read. Does the model read it too? Change what a statement has along the direction, and see whether the model's own judgement moves. There are two ways to change it:
#
# - **push**: add the difference of means to a false statement, subtract it from a true one: the same step for all;
# - **exchange**: give each statement the component that its partner has, the statement of the other label about the same subject. The steps differ, and what comes in is the component of a real statement.
#
# The judgement is `logit(" true") - logit(" false")` after a prompt with two examples. It is read at the end, and the change is made at the last token of the answer, before block 15.
#
# ### Exercise 7 · exchange along a direction (12 minutes, medium)


# %% tags=["exercise:utils.reading.probes.exchange_along"]
def exchange_along(
    resid: Float[Tensor, "batch pos d_model"],
    direction: Float[Tensor, " d_model"],
    positions: Int[Tensor, " batch"],
    partner: Int[Tensor, " batch"],
) -> Float[Tensor, "batch pos d_model"]:
    """A copy of `resid` in which each row's component along `direction` is its partner's.

    Args:
        direction: of any length: only the line it spans matters.
        positions: one for each row; all others stay as they are.
        partner: for each row, the number of the row whose component (at *its* position) it gets.
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(resid), device=resid.device)
    positions, partner = positions.to(resid.device), partner.to(resid.device)
    unit = (direction / direction.norm()).to(resid)
    here = resid[rows, positions]
    change = (here[partner] - here) @ unit
    resid = resid.clone()
    resid[rows, positions] += change[:, None] * unit
    return resid
    ### END SOLUTION


# %% tags=["check"]
exchange_along = lesson_21.check_exchange_along(exchange_along)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# With a direction `u` of length 1, the component of a vector `v` is the number `v @ u`. How much must it change to become the partner's? Add that much of `u`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two index tensors of one length: `here = resid[rows, positions]` are the vectors, and the partners' are `here[partner]`. Add to a clone.
#
# </details>

# %%
PROMPT = (
    "Ice is cold. This statement is true.\nA stone is soft. This statement is false.\n"
    "{} This statement is"
)
ANSWER = 5  # from the end: " is", " statement", " This", ".", and the answer's last token
key, hook_name = ("kinds", 0), f"blocks.{LAYER}.hook_resid_pre"
out = out_of[key]
prompts = [PROMPT.format(row["statement"]) for row in TABLES[key]]
test_rows = [i for i, chosen in enumerate(out) if chosen]
first_subjects = {TABLES[key][i]["pair"]: TABLES[key][i]["subject"] for i in test_rows}
test_rows = [i for i in test_rows if TABLES[key][i]["subject"] in first_subjects.values()]
judged, test_labels = [prompts[i] for i in test_rows], labels[key][test_rows]
subjects = [TABLES[key][i]["subject"] for i in test_rows]  # one of each pair, for speed
lengths = torch.tensor([len(model.to_tokens(text)[0]) for text in judged])
both_of_subject = {s: [i for i, each in enumerate(subjects) if each == s] for s in subjects}
partner = torch.tensor([sum(both_of_subject[s]) - i for i, s in enumerate(subjects)])
towards = (1 - 2.0 * test_labels)[:, None]  # the other label
shots = [text for text, chosen in zip(prompts, out, strict=True) if not chosen]
fit_x = activations(model, shots, position=-ANSWER, layers=LAYER)[LAYER]
fit_y = labels[key][~out]


def judgement(edit: Callable | None = None) -> Tensor:
    """logit(true) - logit(false) of each held-out statement."""
    hooks = [(hook_name, lambda resid, hook: edit(resid))] if edit else []
    with model.hooks(fwd_hooks=hooks):
        logits = next_logits(model, judged, batch_size=len(judged))
    true, false = (model.to_tokens(w, prepend_bos=False)[0, 0] for w in (" true", " false"))
    return logits[:, true] - logits[:, false]


unedited = judgement()
judges = probes.chooses_right(unedited, test_labels, subjects)


def effect(edit: Callable[[Tensor], Tensor]) -> tuple[Tensor, float]:
    """How far each judgement moves towards the other label, and the mean length of the steps."""
    lengths_of_steps = []

    def measured(resid):
        edited = edit(resid)
        lengths_of_steps.append((edited - resid).norm(dim=-1).sum(1).mean().item())
        return edited

    return (judgement(measured) - unedited) * towards[:, 0], lengths_of_steps[0]


def exchanged(direction: Tensor) -> Callable:
    return lambda resid: exchange_along(resid, direction, lengths - ANSWER, partner)


def added(steps: Tensor) -> Callable:
    """Adds a step [d_model] of its own to each statement's answer."""

    def edit(resid):
        resid = resid.clone()
        resid[torch.arange(len(resid)), lengths - ANSWER] += steps.to(resid)
        return resid

    return edit


def complete_vectors(resid):
    rows, at = torch.arange(len(resid)), lengths - ANSWER
    resid = resid.clone()
    resid[rows, at] = resid[rows, at][partner]
    return resid


means = probes.mean_difference(fit_x, fit_y).direction
weights = probes.logistic(fit_x, fit_y).direction
unit = means / means.norm()
generator = torch.Generator().manual_seed(0)
random_units = torch.randn(4, len(unit), generator=generator)
random_units /= random_units.norm(dim=1, keepdim=True)
deals = [fit_y[torch.randperm(len(fit_y), generator=generator)] for _ in range(4)]
shuffled = [probes.mean_difference(fit_x, deal).direction for deal in deals]
moved = {
    "exchange:<br>complete vector": effect(complete_vectors),
    "exchange:<br>means": effect(exchanged(means)),
    "exchange:<br>logistic": effect(exchanged(weights)),
    "push:<br>means": effect(added(towards * means)),
}
by_chance = {
    "push:<br>random": [effect(added(towards * means.norm() * each)) for each in random_units],
    "push:<br>shuffled labels": [
        effect(added(towards * means.norm() * each / each.norm())) for each in shuffled
    ],
}

# %%
named = {name: f"{name}<br>(step {step:.0f})" for name, (_, step) in moved.items()} | {
    name: f"{name}<br>(step {sum(step for _, step in each) / len(each):.0f})"
    for name, each in by_chance.items()
}
plots.bars(
    {named[name]: value.mean().item() for name, (value, _) in moved.items()}
    | {
        named[n]: sum(v.mean().item() for v, _ in each) / len(each) for n, each in by_chance.items()
    },
    title="Exchange and push along the difference of means move the judgement alike",
    y="judgement moved towards the other label",
    intervals={
        named[name]: stats.bootstrap(value, groups=subjects) for name, (value, _) in moved.items()
    },
    dots={named[n]: [v.mean().item() for v, _ in each] for n, each in by_chance.items()},
    chance=0,
)

# %% [markdown]
# **The gate**: with two examples the model prefers "true" for the true one of two statements, in all of these 16 subjects. (Without examples it is near chance, `0.51` on kinds. The prompt was chosen among five, on these statements and others.)
#
# One direction of 576 **carries** about half of what the complete vector does: **0.11** of **0.24** by exchange, **0.13** by a push of about that length. Random directions with such steps move the judgement by up to `0.08`, either way; shuffled labels by less. Logistic regression's direction, with
# steps half as long, carries less: it was fitted to tell classes apart, and any weights will do for that.
#
# So the direction is used for this judgement, in so far as the model judges: a quarter of a logit is little. On affirmative statements, naming the right answer *is* telling the truth, so that this cannot tell the two apart. "Carries" is the word. Nobody has shown that the model would *say* something else.

# %% tags=["numbers"]
print({n: (v.mean(), s) for n, (v, s) in moved.items()})
print({n: [round(v.mean().item(), 3) for v, _ in each] for n, each in by_chance.items()})
assert judges.mean() > 0.9
effects = {name: value.mean().item() for name, (value, _) in moved.items()}
claim("complete", effects["exchange:<br>complete vector"], text=0.24, within=0.035)
claim("exchange", effects["exchange:<br>means"], text=0.11, within=0.016)
claim("push", effects["push:<br>means"], text=0.13, within=0.019)
luck = [abs(v.mean().item()) for each in by_chance.values() for v, _ in each]
assert max(luck) < 0.095 < effects["exchange:<br>means"]
assert effects["exchange:<br>logistic"] < 0.06

# %% [markdown]
# ## Questions to discuss
#
# 1. Which sentence would you write in an abstract: "the model represents truth", "truth can be decoded", or a third one?
# 2. All topics here have right answers of one word. How would you make statements whose truth is not "the right answer is named"?
# 3. The left-out test of section 4 has four topics only. What would convince you that a `t_G` is universal?
# 4. Which data sets that you know were made by putting "not" into true statements, or by one wrong answer for each right one? What does a probe of them read?
#
# ## Common mistakes
#
# - A difference of means without its midpoint.
# - A split by row where rows have twins.
# - `.50` as the only chance level of a transfer: random directions reach `.85` on a small topic.
# - A mean over conditions that can go opposite ways, such as with and without "not".
# - Choosing the layer by the test set.
# - Reporting a probe on the rows that were collected, and not on those that were left out.
#
# ## Where this breaks
#
# One small model, short English sentences, one token (the full stop), wrong answers of one making. Test sets are 14 to 21 pairs a topic. A larger model that understands "not" may hold a general direction that this one lacks.
#
# ## Further reading
#
# - Hewitt and Liang (2019), *Designing and Interpreting Probes with Control Tasks*, arXiv 1909.03368
# - Marks and Tegmark (2023), *The Geometry of Truth*, arXiv 2310.06824
# - Bürger, Hamprecht and Nadler (2024), *Truth is Universal*, arXiv 2407.12831
# - Levinstein and Herrmann (2023), *Still no lie detector for language models*, arXiv 2307.00175
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.5 · Finding circuits automatically](15_circuit_discovery.ipynb) | **Next:** [2.2 · Probing without labels](22_probing_without_labels.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("21")
