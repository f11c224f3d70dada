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
# 2. build the controls that a probe's result needs: random directions, labels turned round by group, and the rows that a data set left out;
# 3. say which of several properties a probe reads, when "truth" is only one of them.
#
# **Time** 75 minutes for the core, and 45 minutes for *Going deeper*. **Needs** lessons 00 and 1.1: tokens, hooks, the residual stream.
# **Runs** in about two and a half minutes on a laptop's processor.
#
# **First, play.** The second cell draws activations of SmolLM2 for 272 statements, such as "The opposite of hot is cold." Move its slider through the layers.
# At which layer do the true statements without "not" first come apart from the false ones? And where would you draw a line between true and false for all four groups?

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
from jaxtyping import Float, Int
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


def at_full_stop(key: tuple[str, int], deepest: int) -> Tensor:
    """The residual stream at each statement's full stop, [layer, statement, d_model]."""
    return activations(model, [row["statement"] for row in TABLES[key]], layers=deepest)


acts = {
    key: at_full_stop(key, DEEPEST if key in [*AFFIRMATIVE, ("opposites", 1)] else 22)
    for key in AFFIRMATIVE + NEGATED
}
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
# No labels were used to find them: these are the two directions in which the activations vary most. In the middle layers, true and false statements without "not" come apart along the second. (The labels set only which way is up.)
# So does the model know truth from falsehood? Look at the statements with "not" before you answer.
#
# A **probe** is a small classifier that is trained on a model's activations. A *linear* probe is a direction and a threshold. Probes are how the field asks what a model represents, and
# the literature has found "truth directions" with them ([Marks and Tegmark 2023](https://arxiv.org/abs/2310.06824)). In this lesson you build such a probe, give it every control, and find out what it reads.
#
# The data (`data/facts/README.md`) have four topics. Two subjects, such as France and Italy, make a **pair** and exchange their answers: four statements, and four more with "not". So every subject and every answer stands in one
# true and one false statement, and no single word tells true from false. (A country of `cities`, or a kind of `kinds`, comes in several pairs; so do not call a split by pair a split by answer there. The picture subtracts each pair's mean.)

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
# [layers, statements, 576].

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
# five folds, trains on four and tests on the fifth, five times. All four statements of a pair should lie in one fold; you will soon see why. `folds_of` gives the fold of each row.
#
# ### Exercise 2 · sweep all layers (10 minutes, medium)


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
    {"mean of topics": mean_of_topics.tolist()}
    | {topic: accuracy.tolist() for topic, accuracy in swept.items()},
    title=f"At the embedding all full stops are alike; layer {LAYER} has the best mean",
    x="layer",
    y="cross-validated accuracy",
    chance=0.5,
).add_vline(x=LAYER, line={"color": "#888", "dash": "dot"})

# %% [markdown]
# At layer 6 the probes of capitals and cities are near `.50`. What would a split by *row* have shown there, with the four statements of a pair in any fold? (Fitted with logistic regression, `probes.logistic`, which weighs the coordinates so that the two classes of its training rows come apart best.)

# %%
predict(
    "21.row",
    "Folds by row instead of by pair, layer 6, capitals. By pair the accuracy is near .50. And by row?",
    choices=["clearly above .60", "near .50 too", "clearly below .40"],
)

# %%
EARLY = 6
by_split = {}
for key in AFFIRMATIVE:
    x, y, pairs = training(key)
    for split, fold in (("by pair", folds_of(pairs)), ("by row", folds_of(range(len(y))))):
        right = layer_sweep(x[EARLY : EARLY + 1], y, fold, fit=probes.logistic)
        by_split.setdefault(split, []).append(right.mean().item())
outcome("21.row", "clearly below .40")
plots.table(
    [(split, *(f"{value:.2f}" for value in values)) for split, values in by_split.items()],
    columns=[f"logistic regression, layer {EARLY}", *TOPICS],
)

# %% [markdown]
# *Below* a half, far below for two topics. In the training folds is the false statement "The capital of France is Rome.", say, and in the test fold the true one, "The capital of Italy is Rome." The probe has learnt by heart that this answer goes with "false", and is wrong.
# (In a data set without such exchanges a split by row errs the other way: what was learnt by heart is right, and the accuracy too high.) Whatever is shared by several rows must stay together: split by **group**.
#
# Now the test set. A bias is part of a probe, so we try the direction without it too.

# %% tags=["numbers"]
print(by_split)
for row, pair in zip(by_split["by row"], by_split["by pair"], strict=True):
    assert row < pair - 0.1
assert max(by_split["by row"][:2]) < 0.4


# %%
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
}
tested = {name: accuracies(fit, LAYER) for name, fit in fits.items()}
plots.table(
    [(name, *(f"{value:.2f}" for value in values)) for name, values in tested.items()],
    columns=[f"accuracy on the test set, layer {LAYER}", *TOPICS],
)

# %% [markdown]
# The layer chosen is **15**. There the difference of means reaches **0.83** on capitals and **0.86** on opposites; cities are hardly read. Without its bias the same direction scores **0.50** on capitals, where all activations
# lie on one side of 0; on opposites it happens to gain a little.

# %% tags=["numbers"]
means, bare = (dict(zip(TOPICS, tested[name], strict=True)) for name in list(fits)[:2])
claim("layer", LAYER, text=15, within=0)
claim("capitals", means["capitals"], text=0.83, within=0.06)
claim("opposites", means["opposites"], text=0.86, within=0.06)
claim("without the bias", bare["capitals"], text=0.50, within=0.02)

# %% [markdown]
# ## 3. Does it look like truth?
#
# A direction of *truth* should serve other topics as well. So train on one topic and test on the others. A threshold need not carry over between topics, so compare the two statements about one subject: the score of the true one minus that of the false one is
# the **margin**. Where it is above 0, the probe **chooses right**.
#
# A mean margin above 0, or a share of right choices above `.50`, is not enough. Activations of short sentences vary along few directions, and a direction that knows nothing of truth may have some part along what tells true from false. How far do such directions get? Two kinds are worth knowing:
#
# - **random directions**, as long as the probe's own;
# - **turned labels**: the same probe fitted to the same activations, with wrong labels. Which wrong labels? The rows of a pair belong together, for the labels as for the split. To shuffle single rows would give one pair three true statements and another none, and the "probe" would read what pairs differ by. So toss a coin for each *pair*: all its labels are turned round, or none.
#
# ### Exercise 3 · directions that know nothing of truth (12 minutes, medium)


# %% tags=["exercise:utils.reading.probes.control_directions"]
def control_directions(
    x: Float[Tensor, "n_rows d_model"],
    y: Int[Tensor, " n_rows"],
    group: Int[Tensor, " n_rows"],
    *,
    fit: Fit,
    n: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, "n d_model"]]:
    """Directions that know nothing of y, of two kinds, to stand beside the probe of (x, y).

    Args:
        group: the number of each row's group, 0, 1, 2 and so on.
        fit: gives a direction and a bias.
        n: how many directions of each kind.
        generator: of both kinds.

    Returns:
        Directions drawn at random, all equally likely, each as long as the probe's own direction;
        and the directions of probes fitted to *turned* labels: a fair coin for each group says
        whether all its labels are turned round, 0 to 1 and 1 to 0, or none.
    """
    ### BEGIN SOLUTION
    random = torch.randn(n, x.shape[1], generator=generator)
    random *= fit(x, y)[0].norm() / random.norm(dim=1, keepdim=True)
    coins = torch.randint(2, (n, int(group.max()) + 1), generator=generator)
    turned = [fit(x, torch.where(coin[group] == 1, 1 - y, y))[0] for coin in coins]
    return random, torch.stack(turned)
    ### END SOLUTION


# %% tags=["check"]
control_directions = lesson_21.check_control_directions(control_directions)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Random directions: draw [n, d_model], divide each by its own length (`norm(dim=1, keepdim=True)`), and multiply by the length of the probe's direction.
#
# </details>
# <details><summary>Hint 2</summary>
#
# One set of coins is `torch.randint(2, (n_groups,), generator=generator)`, and `coin[group]` hands each row its group's coin. `torch.where(coin[group] == 1, 1 - y, y)` are the labels to fit.
#
# </details>

# %%
predict(
    "21.band",
    "200 probes of kinds, fitted to turned labels, are tested on capitals. Between which shares of right choices do 95% of them lie?",
    choices=["about .45 and .55", "about .30 and .70", "about .10 and .90"],
)

# %%
TESTS = AFFIRMATIVE + NEGATED
generator = torch.Generator().manual_seed(0)
probe_of, random_of, turned_of = {}, {}, {}
for key in AFFIRMATIVE:
    x, y, pairs = training(key)
    names = list(dict.fromkeys(pairs))
    group = torch.tensor([names.index(pair) for pair in pairs])
    probe_of[key[0]] = mean_difference(x[LAYER], y)[0]
    random_of[key[0]], turned_of[key[0]] = control_directions(
        x[LAYER], y, group, fit=mean_difference, n=200, generator=generator
    )
on_capitals = pairs_of(("capitals", 0), LAYER).margins(turned_of["kinds"])
by_luck = stats.percentiles((on_capitals > 0).float().mean(1))
outcome("21.band", "about .10 and .90")
print("95% of the probes with turned labels: {:.2f} to {:.2f}".format(*by_luck))


# %% [markdown]
# So wide! The two statements of a subject differ mostly along one direction, and a probe with turned labels keeps some part of it, of random size and sign. Right choices are signs, and ignore how small that part is.
# The mean margin does not. We give it in units of luck: `z` = margin / standard deviation of the margins with turned labels. Luck alone stays between -2 and 2 in 95 of 100 cases. (`z` measures how consistent the training pairs are, and not how large the effect is: with n pairs it cannot exceed the square root of n, about 5 here.)
# %%
def mean_margins(direction: Tensor, layer: int = LAYER) -> Tensor:
    """Of directions [*n, d_model] on each of the eight tests, [8, *n]."""
    return torch.stack([pairs_of(key, layer).margins(direction).mean(-1) for key in TESTS])


margin = torch.stack([mean_margins(probe_of[topic]) for topic in TOPICS])  # [trained on, test]
z = margin / torch.stack([mean_margins(turned_of[topic]).std(1) for topic in TOPICS])
z_random = margin / torch.stack([mean_margins(random_of[topic]).std(1) for topic in TOPICS])


def draw(panels: Tensor | dict[str, Tensor], title: str):
    """z of each topic's probe on each topic."""
    names = {"x": "tested on", "y": "trained on", "rows": TOPICS, "columns": TOPICS}
    return plots.heatmap(panels, title=title, **names, text="values", signed=True, ends=(-6, 6))


draw(z[:, :4], "Trained on any topic, a probe scores true statements higher on all")

# %% [markdown]
# All 12 transfers to another topic lie beyond luck, most near the ceiling of `z`, and so do the four probes on held-out pairs of their own topic. (Nearly all are also beyond random directions as long as the probes.) The probes share a direction, and it passes every control so far. It looks like truth.
#
# Now the statements with "not". Go back to the picture at the top before you run the next cell: which way must a probe that was trained on affirmative opposites choose there?


# %% tags=["numbers"]
print(z, z_random)
assert by_luck.low < 0.2 and by_luck.high > 0.8
assert z[:, :4].min() > 2 and (z_random[:, :4] > 1.9).sum() >= 15

# %%
with_not = torch.stack(
    [
        torch.stack([(pairs_of(key, LAYER).margins(d) > 0).float().mean() for key in NEGATED])
        for d in probe_of.values()
    ]
)
own_with_not = with_not.diagonal().tolist()
draw(
    {"without not": z[:, :4], "with not": z[:, 4:]},
    'With "not", the same probes score the false statements higher',
)

# %% [markdown]
# The probes are not lost with "not": all 16 prefer the false statement. They choose right in at most `0.40` of the subjects (at other splits, `0.50`); the probe of capitals on its own topic in **0.10**, that of opposites in **0.04**. Most prefer statements such as "The capital of France is not Paris."
#
# A probe that prefers the false statement wherever there is a "not" does not read truth. **What does it read?** Something that "Paris is" and "Paris is not" share.

# %% tags=["numbers"]
print(with_not)
assert z[:, 4:].max() < -1.9 and (z_random[:, 4:] < -1.9).sum() >= 15
assert with_not.max() <= 0.5
claim("capitals with not", own_with_not[0], text=0.10, within=0.015)
claim("opposites with not", own_with_not[3], text=0.04, within=0.006)
assert max(own_with_not) < 0.45

# %% [markdown]
# ## 4. Two directions
#
# [Bürger and others (2024)](https://arxiv.org/abs/2407.12831) met this reversal in larger models and proposed that there are *two* directions. With `tau` = 1 for true and -1 for false statements, and the **polarity** `p` = 1 for
# affirmative and -1 for negated ones, they fit each activation as
#
# `x = mu + tau * t_G + tau * p * t_P`,
#
# where `mu` is the mean of all rows of the same topic and polarity: what a topic, or a "not", adds to true and false statements alike. The **general** direction `t_G` points to the true statements of both kinds. The **polarity-sensitive** direction `t_P` turns round with "not". A probe trained on affirmative statements finds the sum
# `t_G + t_P`; one trained on negated statements finds `t_G - t_P`. If `t_P` is the longer one, each fails on the other's statements.
#
# Only the activations are centred by `mu`; `tau` and `p` stay 1 and -1. In our data `tau * p` has a plain meaning: it is 1 where the statement **names the right answer**, whether it affirms or denies it.
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
# First subtract `mu`: for each combination of a topic and a polarity, the mean of its rows. What is left is a linear regression of the centred rows [n, d_model] on two columns, `tau` and `tau * p` [n, 2].
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.linalg.lstsq(A, B).solution` gives the least-squares W with `A @ W` close to `B`; with `A = torch.stack([tau, tau * p], dim=1)` its two rows are `t_G` and `t_P`. Mind the types: `2.0 * labels - 1` makes floats.
#
# </details>


# %%
Coins = dict[str, int]  # 1 for a pair whose labels are turned, in both polarities
PAIRS = list(dict.fromkeys(row["pair"] for row in facts))


def directions_of(topics: Sequence[str], layer: int, coins: Coins | None = None):
    """t_G and t_P of the training sets of some topics; with coins, of turned labels."""
    x, y, negated, topic = [], [], [], []
    for key in [(topic, n) for topic in topics for n in (0, 1)]:
        x_key, y_key, pairs = training(key)
        if coins:
            y_key = y_key ^ torch.tensor([coins[pair] for pair in pairs])
        x.append(x_key[layer])
        y.append(y_key)
        negated.append(torch.full_like(y_key, key[1]))
        topic += [key[0]] * len(y_key)
    return truth_directions(torch.cat(x), torch.cat(y), torch.cat(negated), topic)


generator = torch.Generator().manual_seed(1)
tosses = [
    dict(zip(PAIRS, torch.randint(2, (len(PAIRS),), generator=generator).tolist(), strict=True))
    for _ in range(40)
]
t_g, t_p = directions_of(TOPICS, LAYER)
lucky = [
    stats.percentiles(torch.stack([each.norm() for each in found]))
    for found in zip(*(directions_of(TOPICS, LAYER, coins) for coins in tosses), strict=True)
]
plots.table(
    [
        (name, f"{found.norm():.2f}", "{:.2f} to {:.2f}".format(*luck))
        for name, found, luck in zip(("t_G", "t_P"), (t_g, t_p), lucky, strict=True)
    ],
    columns=[f"layer {LAYER}", "length", "95% of 40 fits to turned labels"],
)

# %% [markdown]
# Both directions are there: each is far longer than fits to turned labels. But `t_P` is **3.2** times as long as `t_G`. So `t_G + t_P`, what an affirmative probe of all topics finds, is nearly `t_P`: it reads "the right answer is named".
#
# Is the short one about truth? Then it scores true statements higher **in both polarities**. A mean over the two would not do. Think of a direction that reads "the right answer is named", and less strongly with "not": it wins more on the one kind than it loses on the other, and its mean is above 0. So take the *worse* of the two. And to call a direction *general*, test it on a topic that was **left out** of its fit.

# %% tags=["numbers"]
claim("t_P over t_G", t_p.norm() / t_g.norm(), text=3.2, within=0.3)
assert t_g.norm() > 1.5 * lucky[0].high and t_p.norm() > 1.5 * lucky[1].high
assert torch.cosine_similarity(t_g, t_p, dim=0).abs() < 0.35


# %%
def in_each(direction: Tensor, topic: str, layer: int) -> Tensor:
    """Mean margins on a topic's test set, [without not, with not]."""
    margins = [pairs_of((topic, n), layer).margins(direction).mean() for n in (0, 1)]
    return torch.stack(margins)


def both_ways(layer: int, coins: Coins | None = None) -> Tensor:
    """Margins of t_G fitted to all topics, and to all but the one tested, [2, topic, polarity]."""
    general = directions_of(TOPICS, layer, coins)[0]
    without = [directions_of([o for o in TOPICS if o != t], layer, coins)[0] for t in TOPICS]
    fitted = [in_each(general, topic, layer) for topic in TOPICS]
    left_out = [in_each(each, topic, layer) for each, topic in zip(without, TOPICS, strict=True)]
    return torch.stack([torch.stack(fitted), torch.stack(left_out)])


LAYERS = (12, 15, 18, 22)
real = torch.stack([both_ways(layer) for layer in LAYERS])  # [layer, way, topic, polarity]
luck = torch.stack(
    [torch.stack([both_ways(layer, coins) for coins in tosses]).std(0) for layer in LAYERS]
)
z_general = real / luck
WAYS = ("t_G, on its own topics", "t_G, topic left out")
AT = LAYERS.index(15)
plots.table(
    [
        (topic, *(f"{v:.1f}" for way in (0, 1) for v in z_general[AT, way, i]))
        for i, topic in enumerate(TOPICS)
    ],
    columns=[
        "z at layer 15",
        *(f"{way}: {kind}" for way in WAYS for kind in ("without not", "with not")),
    ],
)

# %%
worse = z_general.amin(-1)  # of the two polarities
plots.heatmap(
    {way: worse[:, w].T for w, way in enumerate(WAYS)},
    title="Left out of the fit: t_G reaches capitals, later cities, never kinds or opposites",
    x="layer",
    y="tested on",
    rows=TOPICS,
    columns=[str(layer) for layer in LAYERS],
    text="values",
    signed=True,
    ends=(-6, 6),
)

# %% [markdown]
# (The figure shows the worse of the two polarities.) On its own topics `t_G` is beyond luck in both polarities for capitals and kinds at layer 15, and for cities too at layer 18; not for opposites. With the topic **left out**, capitals still pass (at layer 15 `z` is **2.6** without "not" and **5.6** with it; at other splits, too). Cities pass barely, only at layers 18 and 22, and not at every split. For opposites
# the direction of the other topics is wrong in one polarity; for kinds it is no better than luck there. So some part of these activations does take "not" into account, for some topics.
#
# It is a weak part: on its own topics at layer 15, `t_G` chooses right in **0.69** (capitals) and **0.77** (kinds) of both kinds of choices together, where `t_P` gets `.50`.
#
# In the paper, with models of 7 to 13 billion parameters, one `t_G` serves topics and polarities alike. In this small model that did not replicate: a general direction reaches capitals and, in later layers, hardly cities, at a third of the length of the direction that tells which answer is named. A probe that is trained on affirmative statements finds the sum, and so
# mostly the wrong one. The model may be too small to work out "not": *Going deeper* B asks it.

# %% tags=["numbers"]
print(z_general, worse)
claim("capitals left out, without not", z_general[AT, 1, 0, 0], text=2.6, within=0.39)
claim("capitals left out, with not", z_general[AT, 1, 0, 1], text=5.6, within=0.84)
assert worse[AT, 0, 0] > 2 and worse[AT, 0, 2] > 2 and worse[2, 0, 1] > 2
assert worse[:, 0, 3].max() < 2
assert worse[AT, 1, 0] > 2 and worse[1:, 1, 0].min() > 2
assert worse[2:, 1, 1].max() > 2
assert worse[1:, 1, 2:].max() < 2
assert z_general[AT, 1, 2, 1] > 2 and z_general[AT, 1, 3, 0] > 2
general, polar = (
    [
        sum((pairs_of((t, n), LAYER).margins(d) > 0).float().mean() for n in (0, 1)) / 2
        for t in TOPICS
    ]
    for d in (t_g, t_p)
)
claim("capitals, in both", general[0], text=0.69, within=0.08)
claim("kinds, in both", general[2], text=0.77, within=0.08)
assert all(abs(value - 0.5) < 0.1 for value in polar)

# %% [markdown]
# ## 5. Investigation: three good probes
#
# Three colleagues each collected statements, trained a probe with logistic regression at layer 15, and split by pair. Their accuracies are high. One probe reads what
# this lesson's probe reads. The two others read something that their data set **leaks**: a property that goes with the label in *their* rows only.

# %%
collected = lesson_21.collected(TABLES)  # name -> its rows, and the rows of its tables left out


def stacked(rows: list[dict]) -> tuple[Tensor, Tensor]:
    """Activations [row, d_model] at layer 15, and labels."""
    at = {key: {row["statement"]: i for i, row in enumerate(TABLES[key])} for key in TESTS}
    keys = [(row["family"], row["negated"]) for row in rows]
    x = [acts[key][15, at[key][row["statement"]]] for key, row in zip(keys, rows, strict=True)]
    return torch.stack(x), torch.tensor([row["label"] for row in rows])


def claimed(kept: list[dict]) -> float:
    """The accuracy that a colleague reports, cross-validated by pair."""
    x, y = stacked(kept)
    fold = folds_of([row["pair"] for row in kept])
    return layer_sweep(x[None], y, fold, fit=probes.logistic).mean().item()


plots.table(
    [(name, len(kept), f"{claimed(kept):.2f}") for name, (kept, _) in collected.items()],
    columns=["data set", "statements", "accuracy, split by pair"],
)

# %% [markdown]
# ### Investigation · what does each probe read? (15 minutes, medium)
#
# Which probe is honest? `collected["P"]` is a pair of lists: the rows that were **kept**, and the rows of the same tables that were **left out**; each row is a dictionary with `"statement"`, `"label"`, `"pair"` and more. A probe of what it claims is as good on
# the rows left out. A probe of a leak is worse there, or wrong about all.
#
# 1. Look at rows that were kept. What have the true ones in common?
# 2. Build the control: fit `probes.logistic` to the kept rows of four folds of pairs, and test it on the *left out* rows of the fifth. (`stacked(rows)` gives activations and labels. A statement that was left out has a twin that was kept, so the folds matter: number those of both lists in one call of `folds_of`.)
#
# Hand in, for each data set, what its probe reads and its accuracy on the rows left out, to two decimals: `reads = {"P": ("answer", 0.81), ...}`. What it reads is one of `"answer"` (the right answer is named), `"not"` (the statement has a "not"), `"continent"` (of the place that is named), or `"alphabet"` (the first letter of the answer).

# %% tags=["answer:reads"]
### BEGIN SOLUTION
reads = {"P": ("continent", 0.28), "Q": ("not", 0.0), "R": ("answer", 0.87)}
### END SOLUTION

# %% tags=["check"]
reads = lesson_21.check_reads(reads)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Stack the rows of both lists: `rows = kept + left_out`, with a mask that is True for the first `len(kept)`. Then it is exercise 2 with another pair of masks: fit on `~out & mask`, test on `out & ~mask`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `help(probes.kept_and_left_out)`: the library has this control. It takes `x, y, fold, mask` and `fit=probes.logistic`, and returns the accuracy on the rows kept and on those left out.
#
# </details>

# %%
controlled = {}
for name, (kept, left_out) in collected.items():
    x, y = stacked(kept + left_out)
    mask, fold = torch.arange(len(y)) < len(kept), folds_of([r["pair"] for r in kept + left_out])
    controlled[name] = probes.kept_and_left_out(x, y, fold, mask, fit=probes.logistic)
plots.bars(
    {
        f"{name}:<br>{what}": value
        for name, values in controlled.items()
        for what, value in zip(("kept", "left out"), values, strict=True)
    },
    kinds={f"{n}:<br>{what}": what for n in controlled for what in ("kept", "left out")},
    title="On the rows left out, two of three good probes are worse than chance",
    y="accuracy (cross-validated)",
    chance=0.5,
)

# %% [markdown]
# A split by pair did not help against these leaks, since they are the same for all pairs. What helps is data in which the property and the label are independent: *balance* it, or score the combinations that are missing.

# %% tags=["numbers"]
print(controlled)
for name, (_, left_out_share) in lesson_21.COLLECTED.items():
    assert abs(controlled[name][1] - left_out_share) < 0.05  # what the check goes by
assert controlled["P"][0] > 0.75 and controlled["P"][1] < 0.45
assert controlled["Q"][0] > 0.97 and controlled["Q"][1] < 0.05
assert min(controlled["R"]) > 0.8

# %% [markdown]
# ## What you found

# %% tags=["results"]
transfers = z[:, :4][~torch.eye(4, dtype=torch.bool)]
plots.table(
    [
        (
            f"accuracy on held-out pairs, layer {LAYER}",
            ", ".join(f"{v:.2f}" for v in tested["difference of means"]),
            ".50",
            "",
        ),
        (
            "transfers to another topic: z",
            f"{transfers.min():.1f} to {transfers.max():.1f}",
            "-2 to 2: labels turned by pair",
            "carries over between data sets (Marks and Tegmark, LLaMA-2)",
        ),
        (
            "the same with 'not': z",
            f"{z[:, 4:].min():.1f} to {z[:, 4:].max():.1f}",
            "-2 to 2",
            "fails on negations (Levinstein and Herrmann, LLaMA)",
        ),
        (
            "t_P and t_G, lengths",
            f"{t_p.norm():.2f}, {t_g.norm():.2f}",
            f"up to {lucky[1].high:.2f}, {lucky[0].high:.2f}",
            "",
        ),
        *(
            (
                f"{way}: z, worse polarity",
                ", ".join(f"{v:.1f}" for v in worse[AT, w]),
                "-2 to 2",
                "one t_G for all topics (Bürger et al., 7B to 13B)" if w else "",
            )
            for w, way in enumerate(WAYS)
        ),
        (
            "three data sets, logistic: kept",
            ", ".join(f"{kept:.2f}" for kept, _ in controlled.values()),
            ", ".join(f"{left_out:.2f}" for _, left_out in controlled.values()) + " left out",
            "",
        ),
    ],
    columns=["", "SmolLM2-135M-Instruct", "control", "elsewhere (not measured here)"],
)

# %% [markdown]
# The topics are capitals, cities, kinds and opposites, in this order.
#
# **The sentence for the abstract:** in this model's residual stream at the full stop, a direction that four topics share tells whether the right answer was named. A weaker part takes "not" into account; at layer 15 it carries over to capitals alone.
#
# ## Going deeper A · A probe with more capacity
#
# A linear probe can only weigh coordinates. A two-layer network can do more: find what is there in no single direction, or learn its training rows by heart. How do you tell these two apart? By a **control task** ([Hewitt and Liang 2019](https://arxiv.org/abs/1909.03368)): labels with nothing behind them,
# a coin for each fact. Each fact comes twice here, affirmed and denied, with the same coin. Under a split *by row* a fact's twin is often in the training set, so that a probe that memorises facts is right about the coins. Accuracy on the real label minus accuracy on the coins, both by row, is the probe's **selectivity**. (Under our split
# by pair every probe scores `.50` on coins.)
#
# ### Exercise 5 · a two-layer probe (15 minutes, medium)


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
            deviation 0.05; biases start at 0. Nothing is drawn from torch's global generator.
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
        (
            name,
            f"{pair:.2f}",
            f"{row:.2f}",
            ", ".join(f"{c:.2f}" for c in on_coins),
            f"{row - sum(on_coins) / len(on_coins):.2f}",
        )
        for name, (pair, row, on_coins) in capacity.items()
    ],
    columns=[
        "probe",
        "right answer named, by pair",
        "the same, by row",
        "two sets of coins, by row",
        "selectivity",
    ],
)
# %% [markdown]
# On capitals, more capacity finds nothing more about the right answer, by pair. All of these probes memorise: by row they are right about coins more often than `.50`, where there is nothing to read, and their selectivity is small. On the real label, memorising does not
# help: the twin names the same right answer, but other facts of the pair exchange theirs. Beside a number for a strong probe, ask for its score on coins, or for a split that leaves nothing to remember.

# %% tags=["numbers"]
print(capacity)
for _pair, _row, on_coins in capacity.values():
    assert sum(on_coins) / 2 > 0.55
assert max(pair for pair, _, _ in capacity.values()) < capacity["linear"][0] + 0.05

# %% [markdown]
# ## Going deeper B · What does the model judge by?
#
# So far *we* read. Does the model itself know what "not" does? First ask it for the answer: after "The capital of France is" and after "The capital of France is not", compare the log-probabilities of the right answer and of the pair's other one.


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
lowered = {
    topic: stats.bootstrap(gaps[topic, 0][0] - gaps[topic, 1][0], groups=gaps[topic, 0][1])
    for topic in ASKED
}
plots.table(
    [
        (
            topic,
            f"{gaps[topic, 0][0].mean():.2f}",
            f"{gaps[topic, 1][0].mean():.2f}",
            "{:.2f} to {:.2f}".format(*lowered[topic]),
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
# "Not" lowers the preference for the right answer, and does not turn it round. (First tokens only. And people
# who write "The capital of France is not" rarely go on to London, so that even a model that understands "not" might do this.)
#
# So ask for its judgement: after a prompt with two judged examples, `logit(" true") - logit(" false")`. And change what a statement has along the probe's direction, to see whether the judgement moves. There are two ways to change it:
#
# - **push**: add the difference of means to a statement that names the other answer, subtract it where the right one is named: the same step for all;
# - **exchange**: give each statement the component (`x @ u`, for a direction u of length 1) that its **partner** has, the statement about the same subject with the other answer. The steps differ, and what comes in is the component of a real statement.
#
# The change is made at the last token of the answer, before block 15.
#
# ### Exercise 6 · exchange along a direction (12 minutes, medium)


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
TRUE, FALSE = (model.to_tokens(w, prepend_bos=False)[0, 0] for w in (" true", " false"))


class Judged:
    """Statements in the prompt, run to the chosen layer once, so that edits go on from there."""

    def __init__(self, rows: list[dict]):
        self.groups = [row["subject"] for row in rows]
        self.labels = torch.tensor([row["label"] for row in rows])
        named = torch.tensor([row["shown"] == row["right"] for row in rows]).float()
        self.towards = 1 - 2 * named  # the right answer, where the other one is named
        tokens = [model.to_tokens(PROMPT.format(row["statement"]))[0] for row in rows]
        self.at = torch.tensor([len(each) for each in tokens]) - ANSWER
        padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
        self.resid = model(padded, stop_at_layer=LAYER)
        twins = {g: [i for i, each in enumerate(self.groups) if each == g] for g in self.groups}
        self.partner = torch.tensor([sum(twins[g]) - i for i, g in enumerate(self.groups)])
        self.unedited = self.judgement(self.resid)

    def judgement(self, resid: Tensor) -> Tensor:
        """logit(true) - logit(false) of each statement."""

        def last(resid, hook):  # of 49,152 logits a position, only the last position's are needed
            return resid[torch.arange(len(resid)), self.at + ANSWER - 1][:, None]

        with model.hooks(fwd_hooks=[("ln_final.hook_in", last)]):
            logits = model(resid, start_at_layer=LAYER)[:, 0]
        return (logits[:, TRUE] - logits[:, FALSE]).cpu()

    def effect(self, resid: Tensor) -> tuple[float, float]:
        """Mean move of the judgement for the answer's exchange; mean length of the steps."""
        step = (resid - self.resid).norm(dim=-1).sum(1).mean().item()
        moved = (self.judgement(resid) - self.unedited) * self.towards
        return moved.mean().item(), step

    def exchanged(self, direction: Tensor) -> Tensor:
        return exchange_along(self.resid, direction, self.at, self.partner)

    def pushed(self, step: Tensor) -> Tensor:
        resid = self.resid.clone()
        resid[torch.arange(len(resid)), self.at] += (self.towards[:, None] * step).to(resid)
        return resid

    def complete(self) -> Tensor:
        """Each statement with its partner's complete vector at the answer."""
        rows, resid = torch.arange(len(self.resid)), self.resid.clone()
        resid[rows, self.at] = self.resid[rows, self.at][self.partner]
        return resid


with torch.no_grad():
    judged = {}
    for n in (0, 1):
        key = ("kinds", n)
        rows = [row for row, out in zip(TABLES[key], out_of[key], strict=True) if out]
        judged[n] = Judged(rows[:24])  # 6 pairs, for speed
key = ("kinds", 0)
shot_rows = [row for row, out in zip(TABLES[key], out_of[key], strict=True) if not out]
shots = [PROMPT.format(row["statement"]) for row in shot_rows]
fit_x = activations(model, shots, position=-ANSWER, layers=LAYER)[LAYER]
fit_y = labels[key][~out_of[key]]
gates = {
    n: probes.chooses_right(each.unedited, each.labels, each.groups) for n, each in judged.items()
}
plots.table(
    [
        (
            ("without not", "with not")[n],
            f"{gates[n].mean():.2f}",
            f"{each.unedited.mean():.2f}",
            f"{(each.unedited > 0).float().mean():.2f}",
        )
        for n, each in judged.items()
    ],
    columns=[
        "kinds",
        "prefers 'true' for the true one",
        "logit(true) - logit(false)",
        "says 'true'",
    ],
)

# %% [markdown]
# **The gate**, which asks whether the model does the task at all: without "not", the model prefers "true" for the true one of two statements, in all of these 12 subjects. (Without examples in the prompt it is near chance, `0.51` on kinds. The prompt was chosen among five, on these statements and others.)
# With "not" it prefers it for the *false* one, which names the right answer, in **0.83** of the subjects. And it says "true" to all: `logit(" true")` is the larger one everywhere.

# %%
means = probes.mean_difference(fit_x, fit_y).direction
generator = torch.Generator().manual_seed(0)
names = list(dict.fromkeys(r["pair"] for r in shot_rows))
group = torch.tensor([names.index(r["pair"]) for r in shot_rows])
random, turned = control_directions(
    fit_x, fit_y, group, fit=probes.mean_difference, n=4, generator=generator
)
unit = means / means.norm()
across = turned - (turned @ unit)[:, None] * unit  # what else differs within pairs
moved, by_chance, KINDS = {}, {}, ("", "not: ")
with torch.no_grad():
    for n, each in judged.items():
        kind = KINDS[n]
        moved[f"{kind}complete vector"] = each.effect(each.complete())
        moved[f"{kind}exchange, means"] = each.effect(each.exchanged(means))
        by_chance[f"{kind}exchange, across the means"] = [
            each.effect(each.exchanged(d)) for d in across
        ]
        moved[f"{kind}push, means"] = each.effect(each.pushed(means))
        by_chance[f"{kind}push, random directions"] = [each.effect(each.pushed(d)) for d in random]


def shown(of: Callable[[float, float], float], name: str) -> str:
    """What `of` makes of (move, step): one value, or those of each control."""
    values = [moved[name]] if name in moved else by_chance[name]
    return ", ".join(f"{of(*value):.2f}" for value in values)


plots.table(
    [
        (
            name,
            shown(lambda move, step: step, name),
            *(shown(lambda m, _: m, k + name) for k in KINDS),
        )
        for name in (
            "complete vector",
            "exchange, means",
            "exchange, across the means",
            "push, means",
            "push, random directions",
        )
    ],
    columns=["change", "length of the step", "judgement moved: without not", "with not"],
)

# %% [markdown]
# One direction of 576 **carries** about two thirds of what the complete vector does: **0.15** of **0.23** by exchange (at other draws of subjects `0.6` to `0.8`), and about as much by a push of that length. A push has a weak control: random directions move the judgement by up to `0.08`, either way; with "not" the push is hardly more than they. For the exchange, turned labels would be no control:
# here they find the same line (cosines of `0.8` and more, of either sign), and an exchange asks for no sign. So take what else these fits find, their part at right angles to the means ("across"): with steps a third as long, it moves `0.00`.
#
# With "not", a direction of truth would have to work the other way round. It works the same way: **0.08** of **0.12** towards the statement that names the right answer, which is false. So model and probe agree: on these subjects, the model's small preference follows the answer that is named.
#
# "Carries" is the word: a sixth of a logit is little beside the leaning to "true", and no answer changes.

# %% tags=["numbers"]
print(moved, by_chance)
assert torch.cosine_similarity(turned, means[None]).abs().min() > 0.5
assert gates[0].mean() > 0.9 and all((each.unedited > 0).all() for each in judged.values())
claim("not: the wrong one", 1 - gates[1].mean(), text=0.83, within=0.12)
moves = {name: value for name, (value, _) in moved.items()}
claim("complete", moves["complete vector"], text=0.23, within=0.03)
claim("exchange", moves["exchange, means"], text=0.15, within=0.022)
claim("with not, complete", moves["not: complete vector"], text=0.12, within=0.018)
claim("with not, exchange", moves["not: exchange, means"], text=0.08, within=0.012)
for kind in ("", "not: "):
    beside = [abs(value) for value, _ in by_chance[f"{kind}exchange, across the means"]]
    assert max(beside) < 0.2 * moves[f"{kind}exchange, means"]
    pushes = [abs(value) for value, _ in by_chance[f"{kind}push, random directions"]]
    assert max(pushes) < moves[f"{kind}push, means"]
with torch.no_grad():
    for each in judged.values():
        assert (each.judgement(each.exchanged(means)) > 0).all()

# %% [markdown]
# ## Questions to discuss
#
# 1. Which sentence would you write in an abstract: "the model represents truth", "truth can be decoded", or a third one?
# 2. All topics here have right answers of one word. How would you make statements whose truth is not "the right answer is named"?
# 3. For capitals, a direction fitted to other topics is beyond luck in both polarities. Is that "the model knows which capitals are right"? What would convince you that a direction is universal?
# 4. Which data sets that you know were made by putting "not" into true statements, or by one wrong answer for each right one? What does a probe of them read?
#
# ## Common mistakes
#
# - A difference of means without its midpoint.
# - A split by row where rows share an answer.
# - Shuffling single rows where the data come in groups: that is another null hypothesis, and can be too easy or too hard to beat.
# - A share of right choices as the measure of a transfer: signs ignore size.
# - A mean over conditions that can go opposite ways, such as with and without "not".
# - Choosing the layer by the test set.
# - Reporting a probe on the rows that were collected, and not on those that were left out.
#
# ## Where this breaks
#
# One small model, short English sentences, one token (the full stop), wrong answers of one making. Test sets are 14 to 21 pairs a topic. A right answer is also a likely one here: statements that are false but likely, such as "The capital of Australia is Sydney.", are not among them. A larger model that understands "not" may hold a longer general direction.
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
