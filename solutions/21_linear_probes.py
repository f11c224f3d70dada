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
# # 2.1 · Linear probes, and what fools them
#
# [![Open lesson 2.1 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/21_linear_probes.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.5 · Finding circuits automatically](15_circuit_discovery.ipynb) | **Next:** [2.2 · Probing without labels](22_probing_without_labels.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. train a linear probe on a model's activations, choose its layer honestly, and report it with an interval;
# 2. name what a probe's accuracy proves and what it does not, and build the control that tells;
# 3. catch the ways in which probes fool people: leaks, easy wrong answers, negation, distractors, a layer too early.
#
# **Time** two and a half hours. **Needs** lessons 00 and 1.1: tokens, BOS, hooks, the residual stream.
# **Runs** in two to three minutes on a laptop's processor.

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
from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.utilities.statistics import standard_error

from utils import plots, stats
from utils.activations import activations, next_logits
from utils.reading import probes, unsupervised
from utils.checks import lesson_21
from utils.lesson import claim
from utils.fetch import DEFAULT, fetch
from utils.models import load

model = load()
cfg = model.cfg

# %% [markdown]
# ## 1. Two questions to ask a model
#
# *Does the model know that Paris is the capital of France?* You can ask for words: does it **say** Paris? Or
# you can look inside: do its activations differ between "The capital of France is Paris." and "The capital of France
# is London."? A **probe** is a small classifier that is trained on activations to answer the second question. A *linear* probe is the
# smallest: a direction and a threshold.
#
# The data were made for this lesson (`data/facts/README.md`). Four statements belong together, a **pair** of countries:


# %% tags=["nbval-check-output"]
def read(name: str) -> list[dict]:
    """The rows of a table in `data/facts`, with numbers as numbers."""
    with (root / "data" / "facts" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {k: int(v) if k in ("label", "negated", "wording") else v for k, v in r.items()}
        for r in rows
    ]


facts = read("facts")


def family(name: str, negated: int = 0) -> list[dict]:
    return [row for row in facts if row["family"] == name and row["negated"] == negated]


def column(rows: list[dict], name: str) -> list:
    return [row[name] for row in rows]


def labels(rows: list[dict]) -> torch.Tensor:
    return torch.tensor(column(rows, "label"))


capitals = family("capitals")
for row in capitals[20:24]:
    print(row["label"], row["statement"])
print(len(capitals), "statements,", len(set(column(capitals, "pair"))), "pairs")

# %% [markdown]
# Both countries of a pair lie on one continent, and are next to each other in population. Each name stands in one
# true and one false statement. So no word tells true from false: only the *combination* of country and capital does.
#
# First the **gate**: does the model know any capitals? *Predict first:* for how many of these 106 countries does it
# say the capital, after "The capital of X is"? And how often does it prefer the right one to that of the pair's
# other country?

# %%
asked = {row["subject"]: row for row in capitals if row["label"] == 1}
other_answer = {row["subject"]: row["shown"] for row in capitals if row["label"] == 0}


def first_token(word: str) -> int:
    return int(model.to_tokens(" " + word, prepend_bos=False)[0, 0])


logits = next_logits(model, [f"The capital of {country} is" for country in asked])
right_first = torch.tensor([first_token(row["right"]) for row in asked.values()])
wrong_first = torch.tensor([first_token(other_answer[country]) for country in asked])
says = logits.argmax(-1) == right_first
prefers = (logits.gather(1, right_first[:, None]) > logits.gather(1, wrong_first[:, None]))[:, 0]
pair_of = [row["pair"] for row in asked.values()]
says_range = stats.bootstrap(says, groups=pair_of)
prefers_range = stats.bootstrap(prefers, groups=pair_of)
plots.table(
    [
        (
            "says it (most likely next token)",
            f"{says.float().mean():.2f}",
            "{:.2f} to {:.2f}".format(*says_range),
        ),
        (
            "prefers it to the other",
            f"{prefers.float().mean():.2f}",
            "{:.2f} to {:.2f}".format(*prefers_range),
        ),
    ],
    columns=["of 106 capitals, the model", "share", "95% interval"],
)

# %% [markdown]
# It says **60%** of them, and prefers the right one in **97%** (chance is a half; 95% interval **93%** to **100%**). So there is
# something to find.
#
# The interval comes from a **bootstrap**: draw as many pairs as there are, with replacement, a thousand times, and see
# between which values 95% of the means fall. Whole pairs are drawn, since the two countries of a pair are not independent.
#
# (Only the first token of each capital is scored here.)

# %% tags=["numbers"]
claim("capitals that the model says, %", 100 * says.float().mean(), text=60, within=2)
claim("right capital preferred, %", 100 * prefers.float().mean(), text=97, within=1.5)
claim("its interval, low, %", 100 * prefers_range[0], text=93, within=2)
claim("its interval, high, %", 100 * prefers_range[1], text=100, within=1)

# %% [markdown]
# ## 2. Which activation?
#
# A statement has one vector at every token and every layer. Which one should know whether the statement is true?
# Not one that comes *before* the answer: attention looks back, so "The capital of France is" has the
# same vectors whatever comes next. That leaves the answer itself, and the full stop behind it.
#
# Texts of unlike length run as one batch by **padding** the short ones on the right. Then the last column of the batch
# is padding, for all texts but the longest. To read it is a mistake that raises no error, and looks like "nothing to find".
#
# ### Exercise 1 · the last token (10 minutes, easy)


# %% tags=["exercise:utils.activations.last_token"]
def last_token(
    resid: Float[Tensor, "batch pos d_model"], lengths: Int[Tensor, " batch"], *, back: int = 0
) -> Float[Tensor, "batch d_model"]:
    """The vector at each text's last token, or `back` tokens before it, in a right-padded batch.

    Args:
        resid: texts padded on the right.
        lengths: how many tokens of each row are text (BOS counts); the rest is padding.
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(resid), device=resid.device)
    return resid[rows, lengths.to(resid.device) - 1 - back]
    ### END SOLUTION


# %% tags=["check"]
last_token = lesson_21.check_last_token(last_token)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Each row has a position of its own. `resid[:, positions]` would give every row *all* of these positions. Index with two
# tensors of the same length instead: one for rows, one for positions.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `resid[torch.arange(len(resid)), positions]`. A text of 7 tokens has its last one at position 6; with `back=1` you want position 5.
#
# </details>

# %% [markdown]
# `activations` runs the model on a list of texts and keeps the chosen tokens. BOS stands in front. **Layer L** is here
# what block L *reads*: 0 is the embedding of the token, 30 is what the last block leaves. Let it run on the capitals, at the
# answer's last token and at the full stop.

# %%
FULL_STOP, ANSWER = -1, -2
at_stop, at_answer = activations(model, column(capitals, "statement"), position=[FULL_STOP, ANSWER])
print("layer, statement, d_model:", tuple(at_stop.shape))

# %% [markdown]
# ## 3. Hold out whole pairs
#
# A probe has 576 weights, and there are 212 statements: on those it was trained on, it may be perfect and have
# learnt nothing that holds elsewhere. So some are held out. **Which** ones? If "The capital of France is Paris" is in the training set and
# "The capital of France is London" in the test set, the two halves are not independent. Hold out whole groups.
#
# ### Exercise 2 · split by group (10 minutes, easy)


# %% tags=["exercise:utils.reading.probes.split_by_group"]
def split_by_group(
    groups: Sequence[Hashable], *, test: float, generator: torch.Generator
) -> Bool[Tensor, " n"]:
    """True for the rows of the test set: a share of the groups, each of them whole.

    Args:
        groups: what each row belongs to. Rows of one group need not be neighbours.
        test: the share of *groups* to hold out, rounded to a whole number of groups.
        generator: of the draw: in another run of Python, the same one gives the same split.
    """
    ### BEGIN SOLUTION
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=generator)
    chosen = {names[i] for i in order[: round(test * len(names))]}
    return torch.tensor([group in chosen for group in groups])
    ### END SOLUTION


# %% tags=["check"]
split_by_group = lesson_21.check_split_by_group(split_by_group)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Shuffle the *names* of the groups, not the rows. `list(dict.fromkeys(groups))` lists each once, in a fixed order;
# a `set` of strings has another order in each run of Python.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randperm(len(names), generator=generator)` gives an order; the first `round(test * len(names))` of it are held out. A row is in the
# test set if its group is.
#
# </details>

# %% [markdown]
# ### Exercise 3 · the difference of means (15 minutes, medium)
#
# The simplest probe: from the mean of the false statements to the mean of the true ones, that is the direction. It needs a
# threshold too. Scores are `x @ direction + bias`, above 0 is a yes, and 0 should lie **halfway between the two means**.


# %%
def mean_difference(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(direction [d_model], bias []), so that `x @ direction + bias` is 0 halfway between the means.

    Args:
        x: [n, d_model], activations.
        y: [n], labels 0 and 1. The direction points from 0 to 1, and is not normalised.
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
# Forty per cent of the pairs are put aside now, and not looked at until the layer is chosen. On the others, five-fold **cross-validation** chooses: train
# on four fifths of the pairs, test on the fifth, five times. Two probes: the difference of means, and logistic
# regression, which weighs the coordinates so that the two classes come apart best. (It has a *penalty*, a price on large weights, since with 576 weights
# almost anything can be fitted.)
#
# The control is **shuffled labels**: the same procedure, with the labels of the statements dealt out at random, five times.
#
# *Predict first:* from which layer on can truth be read? At the embeddings? At the end?

# %%
y = labels(capitals)
pairs = column(capitals, "pair")
test = split_by_group(pairs, test=0.4, generator=torch.Generator().manual_seed(0))
train_pairs = [pair for pair, out in zip(pairs, test, strict=True) if not out]


def right_at_each_layer(x: torch.Tensor, y: torch.Tensor, groups: list, fit) -> torch.Tensor:
    """1.0 where the cross-validated probe is right, [layer, n]."""
    return torch.stack([probes.cross_validated(each, y, groups, fit=fit) for each in x])


def shuffled(seed: int) -> torch.Tensor:
    """The labels of the training pairs, dealt out anew."""
    random = torch.Generator().manual_seed(seed)
    return y[~test][torch.randperm(int((~test).sum()), generator=random)]


swept = {
    "difference of means, full stop": (at_stop, mean_difference),
    "logistic, full stop": (at_stop, probes.logistic),
    "logistic, answer": (at_answer, probes.logistic),
}
right = {
    name: right_at_each_layer(x[:, ~test], y[~test], train_pairs, fit)
    for name, (x, fit) in swept.items()
}
luck = torch.stack(
    [
        right_at_each_layer(at_stop[:, ~test], shuffled(seed), train_pairs, probes.logistic)
        for seed in range(5)
    ]
).mean(-1)
plots.lines(
    {name: value.mean(1).tolist() for name, value in right.items()}
    | {
        "shuffled labels, mean of five": luck.mean(0).tolist(),
        "shuffled labels, highest of five": luck.amax(0).tolist(),
    },
    title="Truth can be read at the answer from layer 10 on, at the full stop from 12 on",
    x="layer",
    y="cross-validated accuracy",
    chance=0.5,
)

# %% [markdown]
# Not at the embeddings, and at the end worse than in the middle. At the full stop there is little below layer 12 (the answer itself has it two layers earlier). There both probes jump, and then stay level up
# to layer 20. Shuffled labels reach up to **0.62** at one layer or another: that is how far luck alone goes with so few statements.
#
# Which layer of such a plateau wins is luck. So average the two probes at the full stop, and take the *earliest* layer within one **standard error** of the best. The standard
# error says how far such a mean moves by luck of the draw; the unit is the pair. That layer
# is no worse as far as we can tell, and cheaper to run.
#
# And the token? Cross-validation does not tell the two apart (logistic, best layer: **0.80** at the full stop, **0.77** at the answer). We take the full stop, by custom: it stands behind the whole statement, however long the answer
# is. Keep in mind that this was a choice; section 8 returns to it.
#
# Now look at the held-out pairs. (Full disclosure: while this
# lesson was written, other layers were looked at on them too. From 12 to 20 they give the same, within the interval.)


# %%
def group_means(values: torch.Tensor, groups: list) -> torch.Tensor:
    """The mean of each group."""
    found: dict = {}
    for value, group in zip(values.tolist(), groups, strict=True):
        found.setdefault(group, []).append(value)
    return torch.tensor([sum(each) / len(each) for each in found.values()])


def earliest_as_good(families: list[tuple[torch.Tensor, list]]) -> int:
    """The first layer within one standard error of the best; each family has one vote.

    Args:
        families: for each, where its probes are right, [layer, n], and the group of each row.
    """
    mean = torch.stack([right.mean(1) for right, _ in families]).mean(0)
    best = mean.argmax()
    errors = [standard_error(group_means(right[best], groups)).item() for right, groups in families]
    error = sum(each**2 for each in errors) ** 0.5 / len(families)
    return int((mean >= mean.max() - error).nonzero()[0])


both_probes = (right["difference of means, full stop"] + right["logistic, full stop"]) / 2
LAYER = earliest_as_good([(both_probes, train_pairs)])

x_train, x_test = at_stop[LAYER, ~test], at_stop[LAYER, test]
test_pairs = [pair for pair, out in zip(pairs, test, strict=True) if out]
mean_probe = probes.mean_difference(x_train, y[~test])  # a Probe: a direction and a bias
logistic_probe = probes.logistic(x_train, y[~test])


def is_right(probe: probes.Probe, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """1.0 where the probe is right."""
    return ((probe.scores(x) > 0) == (y == 1)).float()


held_out = {
    "difference of means": is_right(mean_probe, x_test, y[test]),
    "without its bias": is_right(mean_probe._replace(bias=0.0), x_test, y[test]),
    "logistic": is_right(logistic_probe, x_test, y[test]),
    "logistic, labels shuffled (five times)": torch.stack(
        [is_right(probes.logistic(x_train, shuffled(i)), x_test, y[test]) for i in range(5)]
    ).mean(0),
}
held_out_range = {name: stats.bootstrap(v, groups=test_pairs) for name, v in held_out.items()}
of_shuffled = held_out["logistic, labels shuffled (five times)"].mean()
plots.table(
    [
        (name, f"{v.mean():.2f}", "{:.2f} to {:.2f}".format(*held_out_range[name]))
        for name, v in held_out.items()
    ],
    columns=[f"held-out capitals, layer {LAYER}", "accuracy", "95% interval"],
)

# %% [markdown]
# At layer **12**, logistic regression is right about **0.81** of the held-out statements (interval **0.74** to **0.88**), the difference of
# means about **0.77** (**0.67** to **0.87**). Shuffled labels give **0.49**.
#
# Without its bias the same direction calls all statements alike, since all activations lie far out on one side. Half of them are true, so that this makes **0.50**. A published probe can lose
# its whole result to this one line.

# %% tags=["numbers"]
claim("layer", LAYER, text=12, within=0)
claim("logistic, held out", held_out["logistic"].mean(), text=0.81, within=0.03)
claim("its interval, low", held_out_range["logistic"][0], text=0.74, within=0.03)
claim("its interval, high", held_out_range["logistic"][1], text=0.88, within=0.03)
claim("difference of means", held_out["difference of means"].mean(), text=0.77, within=0.03)
claim("its interval, low", held_out_range["difference of means"][0], text=0.67, within=0.03)
claim("its interval, high", held_out_range["difference of means"][1], text=0.87, within=0.03)
claim("shuffled, held out", of_shuffled, text=0.49, within=0.04)
claim("without the bias", held_out["without its bias"].mean(), text=0.50, within=0.02)
claim("shuffled, highest", luck.max(), text=0.62, within=0.04)
claim("best at the full stop", right["logistic, full stop"].mean(1).max(), text=0.80, within=0.02)
claim("best at the answer", right["logistic, answer"].mean(1).max(), text=0.77, within=0.02)
curve = both_probes.mean(1)
assert curve[:12].max() < 0.62 and curve[12:21].min() > 0.70 > curve[30]
assert right["logistic, answer"].mean(1)[10] > 0.7
for layer in range(12, 21):
    there = probes.logistic(at_stop[layer, ~test], y[~test]).accuracy(at_stop[layer, test], y[test])
    assert held_out_range["logistic"][0] < there < held_out_range["logistic"][1]

# %% [markdown]
# ### What the model says, and what the probe finds
#
# Compare country by country. The probe **chooses** when it scores the true statement above the false one; no threshold is needed for that.

# %%
of_test = [row for row, out in zip(capitals, test, strict=True) if out]
chosen = probes.choices(logistic_probe.scores(x_test), y[test], column(of_test, "subject"))
says_of = dict(zip(asked, says.tolist(), strict=True))
prefers_of = dict(zip(asked, prefers.tolist(), strict=True))
crossed = {
    (found, said): sum(chosen[c] == found and says_of[c] == said for c in chosen)
    for found in (1, 0)
    for said in (True, False)
}
plots.table(
    [
        ("probe chooses right", crossed[1, True], crossed[1, False]),
        ("probe chooses wrong", crossed[0, True], crossed[0, False]),
    ],
    columns=["held-out countries", "model says the capital", "model does not say it"],
)

# %% [markdown]
# Of **42** countries the probe chooses right for **38**. For **14** of these the model does not *say* the capital. "It knows more than
# it says"? Careful. To choose between two is easier than to name one of thousands. Ask the model the *same* question, which of the two it
# prefers, and it is right **41** times. So this probe finds no more than the model's own next-token prediction shows.

# %% tags=["numbers"]
claim("held-out countries", len(chosen), text=42, within=0)
claim("probe chooses right", sum(chosen.values()), text=38, within=1)
claim("of these the model does not say it", crossed[1, False], text=14, within=1)
claim("model prefers right, held-out", sum(prefers_of[c] for c in chosen), text=41, within=1)

# %% [markdown]
# ## 4. Right for the wrong reason
#
# **0.81** is a number about a *data set*. Here are three ways to get a better one, or to get one from nothing, and two controls.
#
# **Easy wrong answers.** In our pairs both capitals lie on one continent. What if the wrong one comes from
# anywhere? `related.csv` has the same countries paired across continents. *Predict first:* up or down?
#
# **A leak.** Suppose that there is *nothing* to read: the label of each statement is a coin. A probe can still learn by heart which
# statement got which label, and if the test set holds the same statements in other words, it looks right. This is the **control
# task** of Hewitt and Liang. Accuracy on real labels minus accuracy on coins, on the same rows and the same split, is the probe's **selectivity**.
#
# ### Exercise 4 · labels with nothing behind them (10 minutes, easy)


# %% tags=["exercise:utils.reading.probes.control_labels"]
def control_labels(types: Sequence[Hashable], *, generator: torch.Generator) -> Int[Tensor, " n"]:
    """A coin for each type, 0 or 1: the same coin wherever the type comes again.

    The control task of Hewitt and Liang, 2019 (arXiv 1909.03368): there is nothing to read, so
    what a probe scores on it, it has learnt by heart.

    Args:
        types: what each row is one of, such as its word, or its statement.
        generator: of the coins: in another run of Python, the same one gives the same labels.
    """
    ### BEGIN SOLUTION
    names = list(dict.fromkeys(types))
    coins = torch.randint(2, (len(names),), generator=generator)
    coin = dict(zip(names, coins.tolist(), strict=True))
    return torch.tensor([coin[each] for each in types])
    ### END SOLUTION


# %% tags=["check"]
control_labels = lesson_21.check_control_labels(control_labels)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A coin for each row would be a shuffled-label control. Here rows of one type must agree: toss for the *names* of the types first.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randint(2, (n_types,), generator=generator)`, a dictionary from type to coin, and then look every row up.
#
# </details>

# %% [markdown]
# Here each statement comes twice: as it is, and with "not" ("The capital of France is not Paris."). Both get the
# statement's coin. Split the rows at random, and a statement's twin often lies in the training set. Split by pair, and it never does.

# %%
UP_TO = 20  # the plateau's last layer; the blocks above need not run
related = read("related")
far = [row for row in related if row["family"] == "far capitals"]
at_far = activations(model, column(far, "statement"), layers=LAYER)[LAYER]
denied = family("capitals", negated=1)
denied_stop = activations(model, column(denied, "statement"), layers=UP_TO)

twice = torch.cat([at_stop[LAYER], denied_stop[LAYER]])
twice_pairs = pairs + column(denied, "pair")
facts_of = [(row["subject"], row["shown"]) for row in capitals + denied]
each_row = list(range(len(facts_of)))
coins = [
    control_labels(facts_of, generator=torch.Generator().manual_seed(seed)) for seed in range(5)
]
fits = torch.tensor([row["shown"] == row["right"] for row in capitals + denied]).long()


def rate(x, y, groups, fit=probes.logistic) -> torch.Tensor:
    """1.0 where the cross-validated probe is right."""
    return probes.cross_validated(x, y, groups, fit=fit)


near_right = rate(at_stop[LAYER], y, pairs)
far_right = rate(at_far, labels(far), column(far, "pair"))
coin_by_row = torch.stack([rate(twice, coin, each_row) for coin in coins]).mean(0)
coin_by_pair = torch.stack([rate(twice, coin, twice_pairs) for coin in coins]).mean(0)
real_by_row, real_by_pair = rate(twice, fits, each_row), rate(twice, fits, twice_pairs)

# %% [markdown]
# **An untrained model, and no model at all.** If a model with random weights gives the same accuracy, then training is not what is
# being read. And if the mean of the *embeddings* does, a bag of words would have done.

# %%
from transformer_lens.tools.analysis.interchange import random_init_bridge

untrained = random_init_bridge(str(fetch(DEFAULT)), seed=0, device=cfg.device)
at_untrained = activations(untrained, column(capitals, "statement"), layers=LAYER)[LAYER]
del untrained
untrained_right = rate(at_untrained, y, pairs)


@torch.no_grad()
def bag_of_words(rows: list[dict]) -> torch.Tensor:
    """The mean embedding of each statement's tokens, [n, d_model]."""
    tokens = [model.to_tokens(row["statement"], prepend_bos=False)[0] for row in rows]
    return torch.stack([model.W_E[ids].mean(0).float().cpu() for ids in tokens])


bag_right = rate(bag_of_words(capitals), y, pairs)
compared = {
    "as in<br>section 3": (near_right, pairs),
    "wrong answers<br>from far away": (far_right, column(far, "pair")),
    "coins,<br>split by row": (coin_by_row, twice_pairs),
    "coins,<br>split by pair": (coin_by_pair, twice_pairs),
    "untrained<br>model": (untrained_right, pairs),
    "bag of<br>words": (bag_right, pairs),
}
ranges = {name: stats.bootstrap(v, groups=g) for name, (v, g) in compared.items()}
plots.bars(
    {name: v.mean().item() for name, (v, _) in compared.items()},
    title="Easy wrong answers and a leaky split raise the accuracy",
    y="accuracy (cross-validated)",
    intervals=ranges,
    chance=0.5,
)

# %% [markdown]
# (All by five-fold cross-validation with logistic regression, split by pair unless it says by row.)
#
# Up! With wrong answers from other continents the accuracy rises from **0.79** to **0.91** (intervals **0.73** to **0.84** and **0.87** to **0.94**). The model is the
# same. The probe may now read "do these belong to the same part of the world?", which is no question of truth.
#
# Coins, split by row, can be "read" with **0.69**, where there is nothing to read. Split by pair: **0.49**. On the same rows a label that is real, "is the right capital
# named?", gives **0.83** by row and **0.79** by pair. So the selectivity is small by row (**0.14**) and large by pair (**0.30**). The untrained model
# (**0.50**) and the bag of words (**0.52**) give nothing here, as they should: by the design of the pairs no word tells.

# %% tags=["numbers"]
near_range, far_range = ranges["as in<br>section 3"], ranges["wrong answers<br>from far away"]
claim("logistic, held out, again", held_out["logistic"].mean(), text=0.81, within=0.03)
claim("near", near_right.mean(), text=0.79, within=0.03)
claim("far", far_right.mean(), text=0.91, within=0.03)
claim("near, low", near_range[0], text=0.73, within=0.03)
claim("near, high", near_range[1], text=0.84, within=0.03)
claim("far, low", far_range[0], text=0.87, within=0.03)
claim("far, high", far_range[1], text=0.94, within=0.03)
claim("coins by row", coin_by_row.mean(), text=0.69, within=0.03)
claim("coins by pair", coin_by_pair.mean(), text=0.49, within=0.04)
claim("real labels by row", real_by_row.mean(), text=0.83, within=0.03)
claim("real labels by pair", real_by_pair.mean(), text=0.79, within=0.03)
claim("selectivity by row", (real_by_row - coin_by_row).mean(), text=0.14, within=0.04)
claim("selectivity by pair", (real_by_pair - coin_by_pair).mean(), text=0.30, within=0.04)
claim("untrained", untrained_right.mean(), text=0.50, within=0.05)
claim("bag of words", bag_right.mean(), text=0.52, within=0.05)
assert far_range[0] > near_range[1]
assert ranges["coins,<br>split by row"][0] > 0.55

# %% [markdown]
# **Unequal classes.** The third way: let one class be rare. Suppose that only one statement in ten is true. Then "always false" is right nine
# times out of ten. A measure that does not fall for it: draw one true and one false statement; how often does the true one score higher? That is
# the **AUC** (the area under a curve that we do not need here). Chance is a half, and no threshold is involved.
#
# ### Exercise 5 · AUC (10 minutes, medium)


# %%
def auc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """How often a row of label 1 scores above a row of label 0; a tie counts half.

    Args:
        scores: [n].
        labels: [n], 0 and 1.
    """
    ### BEGIN SOLUTION
    yes, no = scores[labels == 1], scores[labels == 0]
    above = (yes[:, None] > no).double() + 0.5 * (yes[:, None] == no).double()
    return above.mean().item()
    ### END SOLUTION


# %% tags=["check"]
auc = lesson_21.check_auc(auc)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Every row of label 1 meets every row of label 0. `a[:, None] > b` compares all with all, [len(a), len(b)].
#
# </details>
# <details><summary>Hint 2</summary>
#
# Add half of the ties, `0.5 * (a[:, None] == b)`, and take the mean. A probe that gives everything one score must get `0.5`.
#
# </details>

# %%
scores = logistic_probe.scores(x_test)
rare = torch.cat([(y[test] == 0).nonzero()[:, 0], (y[test] == 1).nonzero()[:5, 0]])
never = torch.full_like(scores, -1.0)  # always says false
imbalanced = {
    name: (((s[rare] > 0) == (y[test][rare] == 1)).float().mean(), auc(s[rare], y[test][rare]))
    for name, s in {"logistic probe": scores, "always false": never}.items()
}
plots.table(
    [(name, f"{a:.2f}", f"{b:.2f}") for name, (a, b) in imbalanced.items()],
    columns=["42 false and 5 true statements", "accuracy", "AUC"],
)

# %% [markdown]
# By accuracy, "always false" beats the probe. By AUC it is worth exactly chance, and the probe more. From here on, probes are often tested on
# another *kind* of statement than they were trained on. There their threshold may sit in the wrong place. So for that we use AUC and *choices* (section 3), which need no threshold.

# %% tags=["numbers"]
assert imbalanced["always false"][0] > imbalanced["logistic probe"][0]
assert imbalanced["always false"][1] == 0.5 < 0.7 < imbalanced["logistic probe"][1]

# %% [markdown]
# ## 5. Is it truth? Other facts, and "not"
#
# A direction of *truth* should serve for other facts too. There are four more families, all built from pairs as above: cities ("Shanghai is a city
# in China."), kinds ("A robin is a kind of bird."), opposites ("The opposite of hot is cold.") and comparisons ("Forty is larger than twenty-eight."). And each family
# has its **negations**, with the labels turned round.
#
# **Gate:** does the *model* mind "not", that is, does "not" change what it predicts? After "The capital of France is not" a model that does should prefer London to Paris. *Predict first:* how often?

# %%
NAMES = ("capitals", "cities", "kinds", "opposites", "comparisons")
READABLE = NAMES[:4]
tables = {(name, negated): family(name, negated) for name in NAMES for negated in (0, 1)}
stops = {("capitals", 0): at_stop[: UP_TO + 1], ("capitals", 1): denied_stop}
for key, rows in tables.items():
    if key not in stops:
        top = UP_TO if key[0] in READABLE else LAYER
        stops[key] = activations(model, column(rows, "statement"), layers=top)
out_of = {
    key: split_by_group(column(rows, "pair"), test=0.4, generator=torch.Generator().manual_seed(0))
    for key, rows in tables.items()
}


def log_p_answer(rows: list[dict]) -> torch.Tensor:
    """The model's log-probability of the first token of each statement's answer."""
    begun = [row["statement"].removesuffix(f" {row['shown']}.") for row in rows]
    different = list(dict.fromkeys(begun))
    after = dict(zip(different, next_logits(model, different).log_softmax(-1), strict=True))
    return torch.stack(
        [after[text][first_token(row["shown"])] for text, row in zip(begun, rows, strict=True)]
    )


def subject_of(rows: list[dict]) -> list[tuple]:
    return [(row["pair"], row["subject"]) for row in rows]


minds_not = probes.choices(log_p_answer(denied), labels(denied), subject_of(denied))
minds_range = stats.bootstrap(list(minds_not.values()), groups=[pair for pair, _ in minds_not])
print(f"prefers the true ending after 'is not': {sum(minds_not.values()) / len(minds_not):.2f}")

# %% [markdown]
# It prefers the true ending in only **0.12** of the cases (interval **0.07** to **0.19**): after "is not" it still prefers Paris. So in its predictions about capitals this model hardly minds "not" at all. If a probe turns out not to mind it
# either, that may be a fact about the model, and not about probes. (Even a model that understands could do this: people who write "The capital of France is not" rarely go on to London.)
#
# Now train the difference of means on each table, test on each, always on held-out pairs: how often does it choose the true one of two?


# %%
def fitted(key, fit, layer: int = LAYER) -> probes.Probe:
    """A probe trained on the training pairs of one family."""
    keep = ~out_of[key]
    return fit(stops[key][layer, keep], labels(tables[key])[keep])


def chooses(probe: probes.Probe, key, layer: int = LAYER) -> tuple[float, tuple[float, float]]:
    """The share of held-out subjects whose true statement scores higher, and its interval."""
    out = out_of[key]
    rows = [row for row, chosen in zip(tables[key], out, strict=True) if chosen]
    scores = probe.scores(stops[key][layer, out])
    found = probes.choices(scores, labels(tables[key])[out], subject_of(rows))
    values = list(found.values())
    return sum(values) / len(values), stats.bootstrap(values, groups=[pair for pair, _ in found])


keys = [(name, n) for group in (READABLE, NAMES[4:]) for n in (0, 1) for name in group]
called = [("not: " if negated else "") + name for name, negated in keys]
cap, cap_not = ("capitals", 0), ("capitals", 1)
transfer = {(a, b): chooses(fitted(a, probes.mean_difference), b) for a in keys for b in keys}
plots.heatmap(
    torch.tensor([[transfer[a, b][0] for b in keys] for a in keys]),
    title='Learnt on one family, right on three others, and wrong with "not" (layer 12)',
    x="tested on (held-out pairs)",
    y="trained on",
    rows=called,
    columns=called,
    label="chooses right",
    signed=True,
    ends=(0, 1),
    text="values",
)

# %%
twins = {}
for name in READABLE:
    probe = fitted((name, 0), probes.mean_difference)
    with_and_without = [probe.scores(stops[name, n][LAYER, out_of[name, n]]) for n in (0, 1)]
    twins[name] = torch.corrcoef(torch.stack(with_and_without))[0, 1].item()
print("score of a statement and of its twin with not:", {k: f"{v:.2f}" for k, v in twins.items()})

# %% [markdown]
# Trained on capitals, the probe chooses right among held-out capitals (**0.83**, interval **0.74** to **0.93**), and also among kinds (**0.94**) and
# opposites (**0.93**), which it never saw. Among cities it does less well (see the figure). So it is not about countries. It looks like truth, and one might stop here and
# publish.
#
# But on the *same* capitals with "not" it is right in **0.14** (**0.05** to **0.24**): far below chance, that is, reliably wrong. Probes trained *with* "not" are the mirror image: right with it, wrong without. Score each
# statement and its twin with "not" by the probe of its own family: the two scores rise and fall together (correlation **0.96** to **0.99**). The "not" hardly changes which statement scores higher. What it reads might be called
# *these two belong together*.
#
# (Comparisons stand last. There both numbers are in every statement, "belonging together" is no help, and its probe cannot read even its own family: **0.50**. Yet on kinds
# it chooses right in **0.94**! Beware of one high cell. Section 7 shows something odd about how the kinds are paired.)
#
# ### Truth, or the word I expected?
#
# "The opposite of hot is warm." is false, but hot and warm belong together. And there is a rival to that name: *this is the word I expected*. The capitals probe's scores go along with
# the log-probability that the model gave the answer. To separate the two, ask the probe and the model the same question: which scores higher, the true opposite or a synonym?

# %%
opposites_key = ("opposites", 0)
opposites = tables[opposites_key]
synonyms = [row for row in related if row["family"] == "synonyms"]
at_synonyms = activations(model, column(synonyms, "statement"), layers=LAYER)[LAYER]
place = {(row["subject"], row["label"]): i for i, row in enumerate(opposites)}
true_at = torch.tensor([place[row["subject"], 1] for row in synonyms])
unrelated_at = torch.tensor([place[row["subject"], 0] for row in synonyms])
pair_of_synonym = [opposites[i]["pair"] for i in true_at]
expected, expected_synonyms = log_p_answer(opposites), log_p_answer(synonyms)
capitals_probe = fitted(("capitals", 0), probes.mean_difference)
expectation = torch.corrcoef(
    torch.stack([capitals_probe.scores(stops[opposites_key][LAYER]), expected])
)[0, 1]
ranked = {"the model's log-probability": (expected, expected_synonyms, None)}
for name in ("capitals", "kinds", "opposites"):
    probe = fitted((name, 0), probes.mean_difference)
    scores = probe.scores(stops[opposites_key][LAYER]), probe.scores(at_synonyms)
    use = out_of[opposites_key][true_at] if name == "opposites" else None  # held-out ones alone
    ranked[f"probe, trained on {name}"] = (*scores, use)
synonym_table = {}
for name, (of_opposites, of_synonyms, use) in ranked.items():
    use = torch.arange(len(synonyms)) if use is None else use.nonzero()[:, 0]
    true_score = of_opposites[true_at][use]
    over_synonym = (true_score > of_synonyms[use]).float()
    synonym_table[name] = (
        (true_score > of_opposites[unrelated_at][use]).float().mean().item(),
        over_synonym.mean().item(),
        stats.bootstrap(over_synonym, groups=[pair_of_synonym[i] for i in use]),
        len(use),
    )
plots.table(
    [
        (name, n, f"{unrelated:.2f}", f"{synonym:.2f} ({low:.2f} to {high:.2f})")
        for name, (unrelated, synonym, (low, high), n) in synonym_table.items()
    ],
    columns=["the true opposite scores", "of", "above an unrelated word", "above a synonym"],
)

# %% [markdown]
# The probe trained on capitals ranks the true opposite above an unrelated word in **0.88**. Above a *synonym*, in **0.36** (interval **0.25** to **0.46**): below chance, so it takes the synonym more often. The model itself expects the
# opposite rather than the synonym in **0.80**. So the probe is no copy of the model's expectation, though the two go together (correlation **0.60** over all opposites). *Belonging together* fits better.
#
# But a probe trained on opposites does tell them apart: **0.74** on its held-out pairs (interval **0.58** to **0.89**). Synonyms were nowhere in its training set, and still the difference is there to be read. So a name
# such as *belonging together* describes one *probe* and its training data. It does not describe "the model's truth".
#
# ### What if "not" is in the training set?
#
# A fair objection: nobody told the probe about negation. Train logistic regression on a family *and* its negations. *Predict first:* is layer 12 the right place? It was chosen for statements
# without "not". So choose anew, by cross-validation on the training pairs of the four families, from layer 12 to 20, by the same rule.


# %%
def with_negations(name: str, layer: int) -> tuple[torch.Tensor, torch.Tensor, list]:
    """Activations, labels and pairs of a family's training pairs, affirmative and negated."""
    keep = ~out_of[name, 0]
    x = torch.cat([stops[name, n][layer, keep] for n in (0, 1)])
    y = torch.cat([labels(tables[name, n])[keep] for n in (0, 1)])
    pairs_of = [row["pair"] for row, kept in zip(tables[name, 0], keep, strict=True) if kept]
    return x, y, pairs_of * 2


CANDIDATES = range(LAYER, UP_TO + 1)
by_family = {
    name: torch.stack([rate(*with_negations(name, layer)) for layer in CANDIDATES])
    for name in READABLE
}
votes = [(by_family[name], with_negations(name, LAYER)[2]) for name in READABLE]
NOT_LAYER = CANDIDATES[earliest_as_good(votes)]
plots.lines(
    {name: value.mean(1).tolist() for name, value in by_family.items()},
    title='With "not" in the training set, layer 12 is too early',
    x="layer (full stop)",
    y="cross-validated accuracy",
    at=list(CANDIDATES),
    chance=0.5,
)

# %% [markdown]
# Too early. Three of the four families rise until layer 14 or later; the rule takes layer **16**. Now the held-out pairs, with **affirmative and negated apart**: a mean of the two could hide
# one that is right and one that is wrong. (Disclosure: an earlier version of this lesson reported layer 12 alone, and wrongly concluded
# that there is next to nothing. A reader of it then looked at all of these layers on the held-out pairs.)

# %%
both = {name: probes.logistic(*with_negations(name, NOT_LAYER)[:2]) for name in READABLE}
both_choose = {
    (a, b): [chooses(both[a], (b, n), NOT_LAYER) for n in (0, 1)]
    for a in READABLE
    for b in READABLE
}
own, to_kinds = both_choose["capitals", "capitals"], both_choose["capitals", "kinds"]


def shown_apart(two: list) -> str:
    return " and ".join(f"{share:.2f}" for share, _ in two)


plots.table(
    [(f"trained on {a}", *(shown_apart(both_choose[a, b]) for b in READABLE)) for a in READABLE],
    columns=["chooses right: affirmative and negated", *READABLE],
)

# %%
from_layer = {}
for layer in CANDIDATES:
    probe = probes.logistic(*with_negations("capitals", layer)[:2])
    from_layer[layer] = [chooses(probe, ("kinds", n), layer)[0] for n in (0, 1)]
of_all = [with_negations(name, NOT_LAYER) for name in READABLE]
on_all = probes.logistic(torch.cat([x for x, _, _ in of_all]), torch.cat([y for _, y, _ in of_all]))
all_four = {(b, n): chooses(on_all, (b, n), NOT_LAYER)[0] for b in READABLE for n in (0, 1)}
affirmative_only = chooses(
    fitted(("capitals", 0), probes.mean_difference, NOT_LAYER), ("capitals", 1), NOT_LAYER
)

# %% [markdown]
# On capitals, such a probe is right in **0.83** of the affirmative (interval **0.74** to **0.93**) and **0.83** of the negated (**0.74** to **0.93**). So at layer 16 there *is* a direction that turns round with "not". It
# even serves for kinds, which it never saw: **0.84** (**0.72** to **0.97**) and **0.84** (**0.72** to **0.94**). At layer 12 the same procedure gives a probe that does not serve for kinds.
#
# It does not serve everywhere. Between capitals, cities and kinds, five of the six transfers are above a half on both sides (kinds to cities is not), though often by little. To and from opposites it fails:
# capitals to opposites are **0.25** and **0.71**, one side wrong and one right, which a mean would have called chance. And cities are read badly even by their own probe (**0.68**, **0.57**).
#
# Nor is it steady: capitals to kinds, the worse of the two sides, is **0.25** at layer 12, **0.84** at 16, and **0.47** at 19. The intervals know nothing of that.
# Shown all four families at once, one direction is above a half on all four, on both sides (lowest **0.60**, for cities, which is not much). So there may be a common one, but a single family does not lead to it.
#
# So what you find depends on what you train on. The direction that affirmative statements teach does not turn round, not even at layer 16 (capitals with "not": **0.12**). Another one does, in part and from the middle layers on, and you find it if
# your training data *need* it. Larger models are reported to have a clearer one (reading list).

# %% tags=["numbers"]
claim("minds not", sum(minds_not.values()) / len(minds_not), text=0.12, within=0.03)
claim("its interval, low", minds_range[0], text=0.07, within=0.03)
claim("its interval, high", minds_range[1], text=0.19, within=0.03)
claim("capitals to capitals", transfer[cap, cap][0], text=0.83, within=0.03)
claim("its interval, low", transfer[cap, cap][1][0], text=0.74, within=0.04)
claim("its interval, high", transfer[cap, cap][1][1], text=0.93, within=0.04)
claim("capitals to kinds", transfer[cap, ("kinds", 0)][0], text=0.94, within=0.04)
claim("capitals to opposites", transfer[cap, opposites_key][0], text=0.93, within=0.04)
claim("capitals to negated capitals", transfer[cap, cap_not][0], text=0.14, within=0.03)
claim("its interval, low", transfer[cap, cap_not][1][0], text=0.05, within=0.03)
claim("its interval, high", transfer[cap, cap_not][1][1], text=0.24, within=0.03)
eight = keys[:8]  # all but comparisons
assert all((transfer[a, b][0] > 0.5) == (a[1] == b[1]) for a in eight for b in eight), "mirror"
claim("twins, lowest", min(twins.values()), text=0.96, within=0.01)
claim("twins, highest", max(twins.values()), text=0.99, within=0.01)
comp = ("comparisons", 0)
claim("comparisons to comparisons", transfer[comp, comp][0], text=0.50, within=0.06)
claim("comparisons to kinds", transfer[comp, ("kinds", 0)][0], text=0.94, within=0.05)
of_capitals = synonym_table["probe, trained on capitals"]
claim("opposite above unrelated", of_capitals[0], text=0.88, within=0.05)
claim("opposite above synonym", of_capitals[1], text=0.36, within=0.06)
claim("its interval, low", of_capitals[2][0], text=0.25, within=0.05)
claim("its interval, high", of_capitals[2][1], text=0.46, within=0.05)
claim("the model", synonym_table["the model's log-probability"][1], text=0.80, within=0.04)
claim("score and log-probability", expectation, text=0.60, within=0.04)
claim(
    "trained on opposites", synonym_table["probe, trained on opposites"][1], text=0.74, within=0.06
)
opposites_range = synonym_table["probe, trained on opposites"][2]
claim("its interval, low", opposites_range[0], text=0.58, within=0.06)
claim("its interval, high", opposites_range[1], text=0.89, within=0.06)
assert synonym_table["the model's log-probability"][2][0] > of_capitals[2][1]
claim("layer for not", NOT_LAYER, text=16, within=0)
assert sum(each.mean(1)[2] > each.mean(1)[0] + 0.05 for each in by_family.values()) == 3
assert abs(own[1][1][0] - own[0][1][0]) < 0.05 and abs(own[1][1][1] - own[0][1][1]) < 0.05
claim("capitals, affirmative", own[0][0], text=0.83, within=0.04)
claim("capitals, negated", own[1][0], text=0.83, within=0.04)
claim("low", own[0][1][0], text=0.74, within=0.05)
claim("high", own[0][1][1], text=0.93, within=0.05)
claim("kinds, affirmative", to_kinds[0][0], text=0.84, within=0.05)
claim("low", to_kinds[0][1][0], text=0.72, within=0.05)
claim("high", to_kinds[0][1][1], text=0.97, within=0.05)
claim("high, negated", to_kinds[1][1][1], text=0.94, within=0.05)
claim("trained on all four, lowest", min(all_four.values()), text=0.60, within=0.06)
assert min(all_four, key=all_four.get)[0] == "cities"
worse = {layer: min(two) for layer, two in from_layer.items()}
claim("worse side, layer 12", worse[12], text=0.25, within=0.08)
claim("worse side, layer 19", worse[19], text=0.47, within=0.08)
claim("to opposites", both_choose["capitals", "opposites"][0][0], text=0.25, within=0.08)
claim("negated", both_choose["capitals", "opposites"][1][0], text=0.71, within=0.08)
claim("cities", both_choose["cities", "cities"][0][0], text=0.68, within=0.06)
claim("negated", both_choose["cities", "cities"][1][0], text=0.57, within=0.06)
claim("affirmative alone, layer 16", affirmative_only[0], text=0.12, within=0.04)
sides = {pair: min(share for share, _ in two) for pair, two in both_choose.items()}
near = [(a, b) for a in READABLE[:3] for b in READABLE[:3] if a != b]
assert [pair for pair in near if sides[pair] <= 0.52] == [("kinds", "cities")]
assert all(
    sides[pair] <= 0.5 for pair in sides if (pair[0] == "opposites") != (pair[1] == "opposites")
)

# %% [markdown]
# ## 6. A concept that minds "not" without being taught: sentiment
#
# Take another concept. `sentiment.csv` has 40 good and 40 bad words in two sentences ("The movie was wonderful."), with and
# without "not". The label of a sentence with "not" is turned round. Whole *words* are held out, and "not" stays out of the training set.
#
# Here single words suffice: embeddings of good words resemble one another. So the bag of words is the control that asks whether
# the *model* reads sentiment at all. The other control is "not only wonderful": the word "not" is there, and the meaning is *not* turned round.
#
# AUC has a cliff: it jumps as soon as the order turns. So measure the **gap** too: mean score of the good words minus that of the bad words, in units of the gap without "not".
# 1 means that "not" changes nothing, and below 0 the reading has turned round. *Predict first:* at which layer does the gap fall below 0?

# %%
feelings = read("sentiment")
plain = [row for row in feelings if not row["negated"]]
denied_feelings = [row for row in feelings if row["negated"]]
not_only = [
    {**row, "statement": row["statement"].replace(row["word"], f"not only {row['word']}")}
    for row in plain
]
sentences = {"plain": plain, "not": denied_feelings, "not only": not_only}  # in one order of words
feeling = {
    name: activations(model, column(rows, "statement"), layers=UP_TO)
    for name, rows in sentences.items()
}
unseen = split_by_group(column(plain, "word"), test=0.4, generator=torch.Generator().manual_seed(0))
unseen_words = [row["word"] for row, out in zip(plain, unseen, strict=True) if out]
good_word = labels(plain)


def feels(x: dict) -> dict[str, torch.Tensor]:
    """Scores of unseen words; the probe was trained on plain sentences with the other words."""
    probe = probes.mean_difference(x["plain"][~unseen], good_word[~unseen])
    return {name: probe.scores(each[unseen]) for name, each in x.items()}


def gap(scores: torch.Tensor, labels: torch.Tensor) -> float:
    return (scores[labels == 1].mean() - scores[labels == 0].mean()).item()


felt = [feels({k: x[layer] for k, x in feeling.items()}) for layer in range(UP_TO + 1)]
felt_bag = feels({name: bag_of_words(rows) for name, rows in sentences.items()})


def kept(scores: dict, name: str) -> float:
    """The gap between good and bad words in these sentences, in units of the plain gap."""
    return gap(scores[name], good_word[unseen]) / gap(scores["plain"], good_word[unseen])


def auc_of(scores: dict, name: str) -> float:
    return auc(scores[name], 1 - good_word[unseen] if name == "not" else good_word[unseen])


def kept_fact(name: str, layer: int) -> float:
    """The same for facts: right answers minus wrong ones, with "not", in units of the gap without."""
    probe, out = fitted((name, 0), probes.mean_difference, layer), out_of[name, 0]
    with_not, without = (
        gap(probe.scores(stops[name, n][layer, out]), labels(tables[name, 0])[out]) for n in (1, 0)
    )
    return with_not / without


layers = list(range(LAYER, UP_TO + 1))
by_layer = {
    'sentiment, "not"': [kept(felt[layer], "not") for layer in layers],
    'sentiment, "not only" (control)': [kept(felt[layer], "not only") for layer in layers],
    'capitals, "not"': [kept_fact("capitals", layer) for layer in layers],
    'kinds, "not"': [kept_fact("kinds", layer) for layer in layers],
}
plots.lines(
    by_layer,
    title='"Not good" turns over at layer 15; the affirmative probe does not turn with "is not Paris"',
    x="layer (full stop)",
    y="gap with not / gap without",
    at=layers,
    chance=0,
)

# %%
turned = 1 - good_word[unseen]
not_range = {at: probes.auc_interval(felt[at]["not"], turned, unseen_words) for at in (14, 15)}
threshold = {at: ((felt[at]["not"] > 0) == (turned == 1)).float().mean() for at in (15, 20)}
plots.table(
    [
        (
            label,
            *(f"{auc_of(scores, name):.2f}" for name in sentences),
            f"{kept(scores, 'not'):.2f}",
        )
        for label, scores in [
            ("bag of words", felt_bag),
            *((f"layer {at}", felt[at]) for at in (12, 14, 15, 20)),
        ]
    ],
    columns=["AUC on unseen words", *sentences, "gap with not"],
)

# %% [markdown]
# (All by the difference of means.) On plain sentences the bag of words reads the sentiment of *unseen* words with an AUC of **0.95**, nearly as good as any layer. So an AUC of **1.00** at layer 12
# is no evidence that the model understood a sentence. Embeddings suffice.
#
# With "not", the bag of words is reliably wrong (**0.03**), and so is layer 14 (**0.18**, interval **0.08** to **0.30**). At layer 15, that is, after block 14, the AUC is **1.00**, with a probe that was never shown a "not".
# The gap tells how: it fades, **0.47** at layer 12 and **0.20** at layer 14, and then one block turns it over, to **-0.68**. "Not only" leaves the sign as it was. So from there on the model has put
# "not" and "good" together, and not just seen a "not". No bag of words does that.
#
# AUC looks only at the order. With its threshold left where it was, the probe is right about **0.94** of the sentences with "not" at layer 15, and about **0.77** at layer 20.
#
# The affirmative probe of facts does nothing of the kind at any of these layers: the gap for capitals shrinks (to **0.78** at layer 20), and that for kinds fades (to **0.48**); neither comes near zero. But remember the gate of section 5. Sentiment shows
# that a probe can turn round without being taught "not". For facts, this model may not take in the "not" well enough for that.

# %% tags=["numbers"]
claim("bag of words, plain", auc_of(felt_bag, "plain"), text=0.95, within=0.02)
claim("bag of words, not", auc_of(felt_bag, "not"), text=0.03, within=0.02)
claim("layer 12, plain", auc_of(felt[12], "plain"), text=1.00, within=0.01)
claim("layer 14, not", auc_of(felt[14], "not"), text=0.18, within=0.06)
claim("its interval, low", not_range[14][0], text=0.08, within=0.06)
claim("its interval, high", not_range[14][1], text=0.30, within=0.06)
claim("layer 15, not", auc_of(felt[15], "not"), text=1.00, within=0.01)
assert not_range[15][0] > 0.98
claim("gap at layer 12", kept(felt[12], "not"), text=0.47, within=0.06)
claim("gap at layer 14", kept(felt[14], "not"), text=0.20, within=0.06)
claim("gap at layer 15", kept(felt[15], "not"), text=-0.68, within=0.08)
claim("threshold, layer 15", threshold[15], text=0.94, within=0.04)
claim("threshold, layer 20", threshold[20], text=0.77, within=0.06)
assert min(by_layer['sentiment, "not only" (control)']) > 0.5
assert max(by_layer['sentiment, "not"'][3:]) < -0.4
claim("capitals, layer 20", by_layer['capitals, "not"'][-1], text=0.78, within=0.06)
claim("kinds, layer 20", by_layer['kinds, "not"'][-1], text=0.48, within=0.06)
for name in ('capitals, "not"', 'kinds, "not"'):
    assert by_layer[name][0] > by_layer[name][-1] + 0.1 and min(by_layer[name]) > 0.4

# %% [markdown]
# ## 7. Without labels: CCS
#
# Labels cost work, and for some questions nobody has them. **CCS** (contrast-consistent search) asks for none. It takes *pairs* of statements of
# which just one is true, and looks for a direction such that the two probabilities fit: `p(first) = 1 - p(second)`, and not both a half.
#
# ### Exercise 6 · the loss of CCS (10 minutes, medium)
#
# Two terms, added, and then the mean over the pairs. *Consistency*: the square of `p_first - (1 - p_second)`. *Confidence*: the square of the smaller of the
# two, since the false one should go to 0.


# %% tags=["exercise:utils.reading.unsupervised.ccs_loss"]
def ccs_loss(
    p_first: Float[Tensor, " pair"], p_second: Float[Tensor, " pair"]
) -> Float[Tensor, ""]:
    """The mean over pairs of consistency plus confidence (the first edition's exercise)."""
    ### BEGIN SOLUTION
    consistency = (p_first - (1 - p_second)) ** 2
    confidence = torch.minimum(p_first, p_second) ** 2
    return (consistency + confidence).mean()
    ### END SOLUTION


# %% tags=["check"]
ccs_loss = lesson_21.check_ccs_loss(ccs_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Which of the two is smaller differs from pair to pair: `torch.minimum(a, b)` compares entry by entry; `min(a, b)` does not.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Try three cases by hand: (1, 0) costs nothing; `(0.5, 0.5)` costs `0.25` by the second term; (1, 1) costs 1 + 1.
#
# </details>

# %% [markdown]
# `unsupervised.ccs` minimises this loss. For "The opposite of hot is ..." the two halves are the two answers, in random order. Each half is first **normalised**: its own mean is
# taken away, and it is divided by its own spread. CCS cannot know which sign means true, so the better sign counts. *Agreement* is the share of pairs in which CCS and the labels choose alike, so it is never below a half.
#
# There is no test set: CCS is fitted on all pairs, and the labels are held out instead. Beside it: the first **principal component** of the differences (the direction along
# which they are spread most), and 20 random directions.
#
# *Predict first:* now put a word in front that has nothing to do with the question. One statement of each pair begins with "Banana.", the
# other with "Shed.", by a coin. What will CCS find?


# %%
def contrast(rows: list[dict], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The two statements of each subject in random order [pair, 2], and whether the first is true."""
    rows_of: dict = {}
    for i, subject in enumerate(subject_of(rows)):
        rows_of.setdefault(subject, []).append(i)
    at_rows = torch.tensor(list(rows_of.values()))
    flip = torch.rand(len(at_rows), generator=torch.Generator().manual_seed(seed)) < 0.5
    at_rows = torch.where(flip[:, None], at_rows.flip(1), at_rows)
    return at_rows, labels(rows)[at_rows[:, 0]]


def run_ccs(first: torch.Tensor, second: torch.Tensor, seed: int) -> unsupervised.Unsupervised:
    return unsupervised.ccs(first, second, generator=torch.Generator().manual_seed(seed))


def ccs_agreement(x: torch.Tensor, at_rows: torch.Tensor, with_what: torch.Tensor, seeds: int = 3):
    """Agreement of CCS from several seeds, [seed, pair]."""
    first, second = x[at_rows[:, 0]], x[at_rows[:, 1]]
    return torch.stack([run_ccs(first, second, seed).agreement(with_what) for seed in range(seeds)])


at_opposites = stops[opposites_key][LAYER]
orders = [contrast(opposites, seed) for seed in range(3)]
found = torch.stack(
    [ccs_agreement(at_opposites, *order) for order in orders]
)  # [order, seed, pair]
at_rows, truth = orders[0]
banana_first = torch.rand(len(at_rows), generator=torch.Generator().manual_seed(2)) < 0.5
fruit = torch.zeros(len(opposites), dtype=torch.bool)
fruit[at_rows[:, 0]], fruit[at_rows[:, 1]] = banana_first, ~banana_first
distracted = [
    ("Banana. " if has else "Shed. ") + row["statement"]
    for has, row in zip(fruit.tolist(), opposites, strict=True)
]
at_distracted = activations(model, distracted, layers=LAYER)[LAYER]
banana = banana_first.long()
random_directions = torch.randn(20, cfg.d_model, generator=torch.Generator().manual_seed(0))
difference = at_opposites[at_rows[:, 0]] - at_opposites[at_rows[:, 1]]
random_agreement = torch.stack(
    [
        unsupervised.Unsupervised(difference @ each, None).agreement(truth).mean()
        for each in random_directions
    ]
)


def of_component(x: torch.Tensor, with_what: torch.Tensor) -> float:
    """Agreement of the first principal component of the differences."""
    difference = x[at_rows[:, 0]] - x[at_rows[:, 1]]
    difference = difference - difference.mean(0)
    component = torch.linalg.svd(difference, full_matrices=False).Vh[0]
    found = unsupervised.Unsupervised(difference @ component, None)
    return found.agreement(with_what).mean().item()


def with_labels(x: torch.Tensor) -> float:
    """Logistic regression on training pairs: how often it chooses right on held-out ones."""
    out = out_of[opposites_key]
    probe = probes.logistic(x[~out], labels(opposites)[~out])
    held = [group for group, chosen in zip(subject_of(opposites), out, strict=True) if chosen]
    chosen = probes.choices(probe.scores(x[out]), labels(opposites)[out], held)
    return sum(chosen.values()) / len(chosen)


without_labels = {
    "CCS": (
        found.mean().item(),
        ccs_agreement(at_distracted, at_rows, truth).mean().item(),
        ccs_agreement(at_distracted, at_rows, banana).mean().item(),
    ),
    "first principal component": (
        of_component(at_opposites, truth),
        of_component(at_distracted, truth),
        of_component(at_distracted, banana),
    ),
}
supervised, supervised_fruit = with_labels(at_opposites), with_labels(at_distracted)
plots.table(
    [
        *((name, *(f"{value:.2f}" for value in values)) for name, values in without_labels.items()),
        ("logistic, with labels (held out)", f"{supervised:.2f}", f"{supervised_fruit:.2f}", ""),
        (
            "random direction (control), mean and highest",
            f"{random_agreement.mean():.2f}, {random_agreement.max():.2f}",
            "",
            "",
        ),
    ],
    columns=["opposites", "finds truth", "with distractor: truth", "with distractor: banana"],
)

# %% [markdown]
# Without labels CCS agrees with the truth in **0.91** of the pairs (mean over three orders of the halves, three seeds each; from **0.79** to **0.97**). With labels it is **1.00** on held-out pairs. Random
# directions agree in **0.61**, the best of 20 in **0.76**. So CCS looks impressive.
#
# With a banana it finds the banana: **1.00**, and truth **0.50**. So does the principal component. The truth is still there: the probe with labels reads it
# on all held-out pairs. CCS asks for *some* property that differs within every pair. Truth is one, and so is anything else that does. Farquhar and
# colleagues prove it; here you see it.
#
# One may say that nobody puts bananas into data. Look at our own, then.

# %%
kinds = tables["kinds", 0]
living = {"bird", "fish", "insect", "fruit", "vegetable"}  # each pair has one kind of these five
kind_rows, kind_truth = contrast(kinds)
is_living = torch.tensor([row["shown"] in living for row in kinds]).long()[kind_rows[:, 0]]
at_kinds = stops["kinds", 0][LAYER]
found_kinds = [
    run_ccs(at_kinds[kind_rows[:, 0]], at_kinds[kind_rows[:, 1]], seed) for seed in range(10)
]
kinds_find = [
    (each.loss, each.agreement(kind_truth).mean().item(), each.agreement(is_living).mean().item())
    for each in found_kinds
]
elsewhere = {
    name: ccs_agreement(stops[name, 0][LAYER], *contrast(tables[name, 0])).mean().item()
    for name in ("capitals", "cities")
}
negation = {
    (name, layer): [
        run_ccs(stops[name, 0][layer], stops[name, 1][layer], seed)
        .agreement(labels(tables[name, 0]))
        .mean()
        .item()
        for seed in range(3)
    ]
    for name in ("opposites", "capitals")
    for layer in (LAYER, NOT_LAYER)
}
bare = unsupervised.ccs(stops["opposites", 0][LAYER], stops["opposites", 1][LAYER], normalise=False)
plots.table(
    [
        (seed, f"{loss:.5f}", f"{truly:.2f}", f"{listed:.2f}")
        for seed, (loss, truly, listed) in enumerate(kinds_find)
    ],
    columns=["CCS on kinds, seed", "loss", "finds truth", "finds the first five kinds"],
)

# %% [markdown]
# Each pair of *kinds* happens to have one kind from the list bird, fish, insect, fruit, vegetable, and one from the other five. That is
# consistent too. **7** of ten seeds find the list and not the truth, each at a *lower* loss than the three others. So to keep the lowest loss does not
# help. This data set was made with care by people who knew what they were after, and we saw it only when CCS found it.
#
# (Opposites were shown first because CCS works there. On capitals it agrees with the truth in **0.67**, on cities in **0.50**: not much, when a coin with the better sign gets about `0.55`.)
#
# The pairs of the original method are a statement and its *negation*. There a probe could simply read the "not": that is what it does without
# normalisation, at hardly any loss. Normalising each half takes that way out. What is left? At layer 12 hardly anything, as section 5 would lead you to expect. But at layer 16, where labels do find a direction that turns
# with "not", CCS does not find it either: at most **0.61** over opposites and capitals, both layers and three seeds.

# %% tags=["numbers"]
claim("CCS, opposites", without_labels["CCS"][0], text=0.91, within=0.03)
claim("lowest order and seed", found.mean(-1).min(), text=0.79, within=0.06)
claim("highest order and seed", found.mean(-1).max(), text=0.97, within=0.03)
claim("with labels", supervised, text=1.00, within=0.04)
assert supervised_fruit > 0.95 and without_labels["first principal component"][2] > 0.99
claim("random directions", random_agreement.mean(), text=0.61, within=0.04)
claim("the best of them", random_agreement.max(), text=0.76, within=0.04)
claim("and truth", without_labels["CCS"][1], text=0.50, within=0.03)
claim("CCS finds the banana", without_labels["CCS"][2], text=1.00, within=0.01)
claim("seeds that find the list", sum(k > 0.95 for *_, k in kinds_find), text=7, within=1)
assert all(max(t, k) > 0.95 > 0.65 > min(t, k) for _, t, k in kinds_find)
on_list = [loss for loss, _, k in kinds_find if k > 0.95]
assert max(on_list) < min(loss for loss, _, k in kinds_find if k <= 0.95)
claim("CCS, capitals", elsewhere["capitals"], text=0.67, within=0.07)
claim("CCS, cities", elsewhere["cities"], text=0.50, within=0.05)
claim("negation pairs", max(max(each) for each in negation.values()), text=0.61, within=0.06)
alike = bare.agreement(torch.ones(len(bare.first))).mean()
assert alike == 1.0 and bare.loss < 1e-3

# %% [markdown]
# ## 8. Does the model use it? Exchange
#
# All so far is correlation: *we* can read something. Does the **model** use it? Change that one thing, and see
# whether the model's own judgement moves.
#
# Take a true and a false statement about the same subject. Exchange what they have *along the probe's direction*, and leave the other 575 dimensions as they are. The component that comes in is a real one,
# from another statement (though its combination with the rest may be new). Exchanging the *complete* vectors gives the scale: how much could any direction at this token do?
#
# ### Exercise 7 · exchange along a direction (15 minutes, medium)


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
# As in exercise 1, two index tensors: `here = resid[rows, positions]`, and the partners' vectors are `here[partner]`. Add to a clone.
#
# </details>

# %% [markdown]
# The judgement: after the statement comes "This statement is", and we measure `logit(" true") - logit(" false")`. The statements: all held-out opposites, since the probe reads these well. **Gate:** can the model judge them?
#
# You measure how far the judgement moves *towards the label of what was put in*. The directions: the difference of means, trained at the token where it is used, and at the answer logistic regression too.
# **Controls**, at the answer: 5 random directions, and 10 differences of means with *shuffled labels*, which lie where activations differ and so are harder to beat. And the complement: everything *but* the component.
#
# *Predict first:* at which token will the exchange do something? And which of the two probes?

# %%
out = out_of[opposites_key]
judged = [row for row, chosen in zip(opposites, out, strict=True) if chosen]
y_judged, judged_pairs = labels(judged), column(judged, "pair")
two_rows = contrast(judged)[0]
partner = torch.empty(len(judged), dtype=torch.long)
partner[two_rows[:, 0]], partner[two_rows[:, 1]] = two_rows[:, 1], two_rows[:, 0]
asked_whether = [row["statement"] + " This statement is" for row in judged]
lengths = torch.tensor([len(model.to_tokens(text)[0]) for text in asked_whether])
BACK = {"full stop": 4, "answer": 5}  # from the end of the text: " is", " statement", " This", "."


def judgement(edit=None) -> torch.Tensor:
    """logit(true) - logit(false) for each statement, with `edit` of the stream before block LAYER."""
    hook = (f"blocks.{LAYER}.hook_resid_pre", lambda resid, hook: edit(resid))
    with model.hooks(fwd_hooks=[hook] if edit else []):
        after = next_logits(model, asked_whether, batch_size=len(asked_whether))
    return after[:, first_token("true")] - after[:, first_token("false")]


def moved(token: str, direction: torch.Tensor | None = None, *, but: bool = False) -> torch.Tensor:
    """How far each judgement moves towards the label of what was put in.

    The complete vectors are exchanged, or the component along `direction`, or all `but` that.
    """

    def edit(resid):
        rows, at = torch.arange(len(resid)), lengths - BACK[token]
        complete = resid.clone()
        complete[rows, at] = resid[rows[partner], at[partner]]
        if direction is None:
            return complete
        along = exchange_along(resid, direction, at, partner)
        return complete - along + resid if but else along

    return (judgement(edit) - unchanged) * (1 - 2 * y_judged)


unchanged = judgement()
gate = probes.choices(unchanged, y_judged, subject_of(judged))
gate_range = stats.bootstrap(list(gate.values()), groups=[pair for pair, _ in gate])
at_answers = activations(model, column(opposites, "statement"), position=ANSWER, layers=LAYER)[
    LAYER
]
x_of = {"full stop": at_opposites[~out], "answer": at_answers[~out]}
y_fit = labels(opposites)[~out]
means_of = {token: probes.mean_difference(x, y_fit).direction for token, x in x_of.items()}
effects = {
    "full stop:<br>complete": moved("full stop"),
    "full stop:<br>means": moved("full stop", means_of["full stop"]),
    "answer:<br>complete": moved("answer"),
    "answer:<br>means": moved("answer", means_of["answer"]),
    "answer:<br>all but<br>means": moved("answer", means_of["answer"], but=True),
    "answer:<br>logistic": moved("answer", probes.logistic(x_of["answer"], y_fit).direction),
}
effect_range = {name: stats.bootstrap(v, groups=judged_pairs) for name, v in effects.items()}

# %%
dealt = torch.Generator().manual_seed(0)
deals = [y_fit[torch.randperm(len(y_fit), generator=dealt)] for _ in range(10)]
shuffled_means = [probes.mean_difference(x_of["answer"], deal).direction for deal in deals]
controls = {
    f"answer:<br>{name}": [moved("answer", each).mean().item() for each in directions]
    for name, directions in [("random", random_directions[:5]), ("shuffled", shuffled_means)]
}
plots.bars(
    {name: value.mean().item() for name, value in effects.items()}
    | {name: sum(values) / len(values) for name, values in controls.items()},
    title="At the answer, one direction carries half of the exchange; at the full stop, none",
    y="effect on the judgement",
    intervals=effect_range,
    dots=controls,
    chance=0,
)

# %%
whole, means = effects["answer:<br>complete"].mean(), effects["answer:<br>means"].mean()
highest = max(controls["answer:<br>shuffled"])
share_range = stats.bootstrap(
    effects["answer:<br>means"], over=effects["answer:<br>complete"], groups=judged_pairs
)

# %% [markdown]
# The gate is hardly passed: the model prefers "true" for the true one of two statements in **0.64** of the cases (interval **0.54** to **0.79**). This is a weak judgement, and so a weak test: read what follows as
# "in so far as it judges".
#
# At the **full stop** the complete exchange does next to nothing (**0.00**, interval **-0.03** to **0.04**). The probe read the opposites nearly perfectly at a token that, at this layer, plays no visible part in the judgement!
# What is *decodable* there is not *used* there, at least not for this judgement.
#
# At the **answer** the complete exchange moves the judgement by **0.24** (**0.14** to **0.34**). The component along the difference of means alone moves it by **0.13** (**0.08** to **0.18**), a share of **0.53** (**0.37** to **0.78**), though it is one dimension of 576.
# Towards that label, random directions move it by **0.00** at most, and shuffled means by at most **0.01** (one moves it a little further the other way; ten others, drawn while this was written, reached `0.04`). So this direction is *used*. The other 575 dimensions together carry about as much: it is not the only one.
#
# And logistic regression, at the same token? It moves the judgement by **-0.04**: a little the *wrong* way. It was fitted to read, and it does not steer. It was fitted to tell the classes apart, and for that any weights will do, those that merely cancel noise too; Marks and Tegmark
# found the same difference. Whether a direction that steers is *truth* is again another question: "the word I expected" would move a judgement too.

# %% tags=["numbers"]
claim("gate: chooses right", sum(gate.values()) / len(gate), text=0.64, within=0.04)
claim("its interval, low", gate_range[0], text=0.54, within=0.05)
claim("its interval, high", gate_range[1], text=0.79, within=0.05)
stop_range, answer_range = (effect_range[f"{token}:<br>complete"] for token in BACK)
claim("complete, full stop", effects["full stop:<br>complete"].mean(), text=0.00, within=0.02)
claim("its interval, low", stop_range[0], text=-0.03, within=0.02)
claim("its interval, high", stop_range[1], text=0.04, within=0.02)
claim("complete, answer", whole, text=0.24, within=0.03)
claim("its interval, low", answer_range[0], text=0.14, within=0.03)
claim("its interval, high", answer_range[1], text=0.34, within=0.03)
claim("means, answer", means, text=0.13, within=0.02)
claim("its interval, low", effect_range["answer:<br>means"][0], text=0.08, within=0.02)
claim("its interval, high", effect_range["answer:<br>means"][1], text=0.18, within=0.02)
claim("share", means / whole, text=0.53, within=0.06)
claim("its interval, low", share_range[0], text=0.37, within=0.08)
claim("its interval, high", share_range[1], text=0.78, within=0.08)
claim("random, highest", max(controls["answer:<br>random"]), text=0.00, within=0.01)
claim("shuffled, highest", highest, text=0.01, within=0.01)
claim("logistic, answer", effects["answer:<br>logistic"].mean(), text=-0.04, within=0.02)
rest = effects["answer:<br>all but<br>means"].mean()
assert abs(rest - means) < 0.05
assert effect_range["answer:<br>means"][0] > highest and effect_range["answer:<br>logistic"][1] < 0

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "held-out capitals, logistic (accuracy)",
            f"{held_out['logistic'].mean():.2f} ({held_out_range['logistic'][0]:.2f} to "
            f"{held_out_range['logistic'][1]:.2f})",
            f"{of_shuffled:.2f} shuffled, "
            f"{untrained_right.mean():.2f} untrained, {bag_right.mean():.2f} bag of words",
            "",
        ),
        (
            "difference of means, with and without its bias",
            f"{held_out['difference of means'].mean():.2f}",
            f"{held_out['without its bias'].mean():.2f}",
            "",
        ),
        (
            "wrong answers from another continent",
            f"{far_right.mean():.2f}",
            f"{near_right.mean():.2f} from the same one",
            "",
        ),
        (
            "coins for labels, split by row",
            f"{coin_by_row.mean():.2f}",
            f"{coin_by_pair.mean():.2f} by pair",
            "",
        ),
        (
            "capitals to kinds, to opposites (chooses right)",
            f"{transfer[cap, ('kinds', 0)][0]:.2f}, {transfer[cap, ('opposites', 0)][0]:.2f}",
            f"{transfer[cap, ('comparisons', 0)][0]:.2f} comparisons",
            "transfer between data sets (Marks and Tegmark, LLaMA models)",
        ),
        (
            "capitals to negated capitals, layer 12",
            f"{transfer[cap, cap_not][0]:.2f}",
            f"{transfer[cap, cap][0]:.2f} without not",
            "negation breaks probes (Levinstein and Herrmann, a LLaMA model)",
        ),
        (
            f"trained with negations, layer {NOT_LAYER}: capitals, kinds",
            f"{shown_apart(own)}; {shown_apart(to_kinds)}",
            f"{shown_apart(both_choose['capitals', 'opposites'])} opposites",
            "one direction for both (Bürger et al., larger models)",
        ),
        (
            "sentiment, not: layer 14, layer 15 (AUC)",
            f"{auc_of(felt[14], 'not'):.2f}, {auc_of(felt[15], 'not'):.2f}",
            f"{auc_of(felt_bag, 'not'):.2f} bag of words",
            "",
        ),
        (
            "CCS, opposites; with a banana",
            f"{without_labels['CCS'][0]:.2f}; {without_labels['CCS'][1]:.2f}",
            f"{random_agreement.mean():.2f} random direction",
            "finds the distractor (Farquhar et al., larger models)",
        ),
        (
            "exchange at the answer: difference of means",
            f"{means:+.2f} of {whole:+.2f}",
            f"{highest:+.2f} best of ten shuffled",
            "difference of means steers better than logistic (Marks and Tegmark)",
        ),
    ],
    columns=["", "SmolLM2-135M-Instruct", "control", "elsewhere (not measured here)"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. Which sentence would you write in an abstract: "the model represents truth", "truth can be decoded", or a third one? Which result of this
#    lesson would you have to leave out for the first?
# 2. The untrained model and the bag of words are at chance by the design of the pairs. For which data would these two controls be the ones that matter?
# 3. The held-out kinds share their *kinds* (bird, fish, ...) with the training set, though no animal. Is that a leak? How would you split?
# 4. Block 14 turns sentiment round. Which of its heads would you look at, with the methods of lessons 1.3 and 1.4?
# 5. The direction that steers was found at the answer, by means, on opposites. What would you have to show before you call it *truth*?
#
# ## Common mistakes
#
# - Position -1 of a padded batch: padding. And a position before the answer: the same vector for true and false.
# - A difference of means without its midpoint.
# - A split by row where rows have twins.
# - Choosing the layer by the test set. With thirty layers the best of them looks good by luck alone.
# - Keeping a layer that was chosen for one question when the question changes. "Not there" then means "not there yet".
# - A mean over conditions that can go opposite ways, such as with and without "not".
# - Comparing a model's free answer with a probe's choice between two.
# - Reporting accuracy where a class is rare, or where the threshold comes from other data.
#
# ## Where this breaks
#
# One small model, short English sentences, wrong answers of one making. This model's own predictions hardly mind "not", so that what it shows about negation need not hold for a larger one. Held-out sets are small: look
# at the intervals. Two probes at two tokens were tried; a probe that is not linear may read more, and by the same reasoning may learn more by heart.
#
# ## Further reading
#
# - Hewitt and Liang (2019), *Designing and Interpreting Probes with Control Tasks*, arXiv 1909.03368
# - Marks and Tegmark (2023), *The Geometry of Truth*, arXiv 2310.06824
# - Li et al. (2023), *Inference-Time Intervention*, arXiv 2306.03341
# - Burns et al. (2022), *Discovering Latent Knowledge* (CCS), arXiv 2212.03827
# - Farquhar et al. (2023), *Challenges with unsupervised LLM knowledge discovery*, arXiv 2312.10029
# - Bürger, Hamprecht and Nadler (2024), *Truth is Universal*, arXiv 2407.12831
# - Levinstein and Herrmann (2023), *Still no lie detector for language models*
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.5 · Finding circuits automatically](15_circuit_discovery.ipynb) | **Next:** [2.2 · Probing without labels](22_probing_without_labels.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("21")
