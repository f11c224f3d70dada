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
# # 05 · Linear probes, and what fools them
#
# [![Open lesson 05 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/05_linear_probes.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. train a linear probe on a model's activations, choose its layer honestly, and report it with an interval;
# 2. name what a probe's accuracy proves and what it does not, and build the control that tells;
# 3. catch the ways in which probes fool people: leaks, easy wrong answers, negation, distractors.
#
# **Time** two and a half hours. **Needs** lessons 00 and 01: tokens, BOS, hooks, the residual stream.
# **Runs** in about two minutes on a laptop's processor.

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
import csv

import torch

from utils import plots, probes, progress
from utils.checks import claim, lesson_05
from utils.models import DEFAULT, fetch, load

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


@torch.no_grad()
def next_logits(texts: list[str]) -> torch.Tensor:
    """The logits after each text, [text, d_vocab]."""
    return torch.cat([model(model.to_tokens(text))[:, -1].float().cpu() for text in texts])


logits = next_logits([f"The capital of {country} is" for country in asked])
right_first = torch.tensor([first_token(row["right"]) for row in asked.values()])
wrong_first = torch.tensor([first_token(other_answer[country]) for country in asked])
says = logits.argmax(-1) == right_first
prefers = (logits.gather(1, right_first[:, None]) > logits.gather(1, wrong_first[:, None]))[:, 0]
pair_of = [row["pair"] for row in asked.values()]
says_range = probes.bootstrap(says, groups=pair_of)
prefers_range = probes.bootstrap(prefers, groups=pair_of)
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
# is the padding of all but the longest: a mistake that raises no error, and looks like "nothing to find".
#
# ### Exercise 1 · the last token (10 minutes, easy)


# %%
def last_token(resid: torch.Tensor, lengths: torch.Tensor, *, back: int = 0) -> torch.Tensor:
    """The vector at each text's last token, or `back` tokens before it, [batch, d_model].

    Args:
        resid: [batch, pos, d_model], padded on the right.
        lengths: [batch], how many tokens of each row are text (BOS counts); the rest is padding.
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(resid), device=resid.device)
    return resid[rows, lengths.to(resid.device) - 1 - back]
    ### END SOLUTION


# %% tags=["check"]
lesson_05.check_last_token(last_token)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Each row has a position of its own. `resid[:, positions]` would give every row *all* of these positions. Index with two
# tensors of the same length instead: one for rows, one for positions.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `resid[torch.arange(len(resid)), positions]`. A text of 7 tokens has its last one at position 6.
#
# </details>

# %% [markdown]
# `probes.activations` runs the model on a list of texts and keeps the chosen tokens. BOS stands in front. **Layer L** is here
# what block L *reads*: 0 is the embedding of the token, 30 is what the last block leaves. Let it run on the capitals, at the
# answer's last token and at the full stop.

# %%
from utils.probes import last_token

FULL_STOP, ANSWER = -1, -2
at_stop, at_answer = probes.activations(
    model, column(capitals, "statement"), position=[FULL_STOP, ANSWER]
)
print("layer, statement, d_model:", tuple(at_stop.shape))

# %% [markdown]
# ## 3. Hold out whole pairs
#
# A probe has 576 weights, and there are 212 statements: on those it was trained on, it may be perfect and have
# learnt nothing that holds elsewhere. So some are held out. **Which** ones? If "The capital of France is Paris" is in the training set and
# "The capital of France is London" in the test set, the two halves are not independent. Hold out whole groups.
#
# ### Exercise 2 · split by group (10 minutes, easy)


# %%
def split_by_group(groups: list, *, test: float, seed: int) -> torch.Tensor:
    """True for the rows of the test set, [n] bool: a share of the groups, each of them whole.

    Args:
        groups: [n], what each row belongs to. Rows of one group need not be neighbours.
        test: the share of *groups* to hold out, rounded to a whole number of groups.
        seed: of a torch.Generator of your own, so that the split can be repeated.
    """
    ### BEGIN SOLUTION
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    chosen = {names[i] for i in order[: round(test * len(names))]}
    return torch.tensor([group in chosen for group in groups])
    ### END SOLUTION


# %% tags=["check"]
lesson_05.check_split_by_group(split_by_group)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Shuffle the *names* of the groups, not the rows. `list(dict.fromkeys(groups))` lists each once, in a fixed order;
# a `set` of strings has another order in each run of Python.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randperm(len(names), generator=...)` gives an order; the first `round(test * len(names))` of it are held out. A row is in the
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
        y: [n], labels 0 and 1. The direction points from 0 to 1.
    """
    ### BEGIN SOLUTION
    yes, no = x[y == 1].mean(0), x[y == 0].mean(0)
    direction = yes - no
    return direction, -(yes + no) @ direction / 2
    ### END SOLUTION


# %% tags=["check"]
lesson_05.check_mean_difference(mean_difference)

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
# Forty per cent of the pairs are put aside now, and not looked at until layer and token are chosen. On the others, five-fold **cross-validation** chooses: train
# on four fifths of the pairs, test on the fifth, five times. Two probes: the difference of means, and logistic
# regression, which weighs the coordinates so that the two classes come apart best.
#
# The control is **shuffled labels**: the same procedure, with the labels of the statements dealt out at random.
#
# *Predict first:* from which layer on can truth be read? At the embeddings? At the end?

# %%
from utils.probes import mean_difference, split_by_group

y = labels(capitals)
pairs = column(capitals, "pair")
test = split_by_group(pairs, test=0.4, seed=0)
train_pairs = [pair for pair, out in zip(pairs, test, strict=True) if not out]
shuffled = y[~test][torch.randperm(int((~test).sum()), generator=torch.Generator().manual_seed(1))]


def sweep(x: torch.Tensor, y: torch.Tensor, groups: list, fit) -> list[float]:
    """Cross-validated accuracy at each layer."""
    return [probes.cross_validated(at_layer, y, groups, fit=fit).mean().item() for at_layer in x]


layer_sweep = {
    "difference of means, full stop": sweep(
        at_stop[:, ~test], y[~test], train_pairs, mean_difference
    ),
    "logistic, full stop": sweep(at_stop[:, ~test], y[~test], train_pairs, probes.logistic),
    "logistic, answer": sweep(at_answer[:, ~test], y[~test], train_pairs, probes.logistic),
    "logistic, labels shuffled (control)": sweep(
        at_stop[:, ~test], shuffled, train_pairs, probes.logistic
    ),
}
plots.lines(
    layer_sweep,
    title="Truth can be read from layer 12 on, at the full stop",
    x="layer",
    y="cross-validated accuracy",
)

# %% [markdown]
# At the full stop there is little below layer 12 (the answer itself has it two layers earlier); at layer 12 both probes jump, and then stay level up
# to layer 20. Shuffled labels wander between **0.39** and **0.60**: that is how far luck alone goes with so few statements.
#
# The winner of such a plateau is luck. So take the *earliest* layer that lies within one standard error of the best (of the two probes' mean): it
# is no worse as far as we can tell, and cheaper to run. Now look at the held-out pairs. (Full disclosure: the best layer, 20, was looked at there too while this
# lesson was written, before this rule was settled. It gives the same, within the interval.)

# %%
mean_curve = [sum(pair) / 2 for pair in zip(*list(layer_sweep.values())[:2], strict=True)]
best = max(mean_curve)
standard_error = (best * (1 - best) / len(train_pairs)) ** 0.5
LAYER = next(i for i, value in enumerate(mean_curve) if value >= best - standard_error)

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
    "logistic, labels shuffled (control)": is_right(
        probes.logistic(x_train, shuffled), x_test, y[test]
    ),
}
held_out_range = {name: probes.bootstrap(v, groups=test_pairs) for name, v in held_out.items()}
plots.table(
    [
        (name, f"{v.mean():.2f}", "{:.2f} to {:.2f}".format(*held_out_range[name]))
        for name, v in held_out.items()
    ],
    columns=[f"held-out capitals, layer {LAYER}", "accuracy", "95% interval"],
)

# %% [markdown]
# At layer **12**, logistic regression is right about **0.81** of the held-out statements (interval **0.74** to **0.88**), the difference of
# means about **0.77** (**0.67** to **0.87**). Shuffled labels give **0.52**.
#
# Without its bias the same direction scores **0.50**, exactly chance: all activations lie far out on one side, so that it calls
# them all alike. A published probe can lose its whole result to this one line.
#
# Does the scale of the coordinates matter? In the residual stream a few of them are huge: here three of 576 carry
# **0.79** of the squared length. `probes.logistic` divides each coordinate by its standard deviation first, because its penalty on large weights
# would otherwise spare the huge ones. The difference of means does not: below it is, once more, with that division.

# %%
squares = x_train.pow(2).mean(0)
huge = squares.topk(3).values.sum() / squares.sum()
scale = x_train.std(0)
scaled = probes.mean_difference(x_train / scale, y[~test]).accuracy(x_test / scale, y[test])
print(f"difference of means: {held_out['difference of means'].mean():.2f}, scaled {scaled:.2f}")

# %% [markdown]
# It makes a difference of a few statements (**0.80**), well within the interval. Here, not much depends on it. On other models it can.

# %% tags=["numbers"]
claim("layer", LAYER, text=12, within=0)
claim("logistic, held out", held_out["logistic"].mean(), text=0.81, within=0.03)
claim("its interval, low", held_out_range["logistic"][0], text=0.74, within=0.03)
claim("its interval, high", held_out_range["logistic"][1], text=0.88, within=0.03)
claim("difference of means", held_out["difference of means"].mean(), text=0.77, within=0.03)
claim("its interval, low", held_out_range["difference of means"][0], text=0.67, within=0.03)
claim("its interval, high", held_out_range["difference of means"][1], text=0.87, within=0.03)
claim("shuffled", held_out["logistic, labels shuffled (control)"].mean(), text=0.52, within=0.06)
claim("without the bias", held_out["without its bias"].mean(), text=0.50, within=0.02)
claim("share of squared length in 3 coordinates", huge, text=0.79, within=0.03)
claim("scaled difference of means", scaled, text=0.80, within=0.03)
at_20 = probes.logistic(at_stop[20, ~test], y[~test]).accuracy(at_stop[20, test], y[test])
assert held_out_range["logistic"][0] < at_20 < held_out_range["logistic"][1]
luck = layer_sweep["logistic, labels shuffled (control)"]
claim("shuffled, lowest", min(luck), text=0.39, within=0.04)
claim("shuffled, highest", max(luck), text=0.60, within=0.04)
assert max(mean_curve[:12]) < 0.62 and min(mean_curve[12:21]) > 0.70

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
# **0.81** is a number about a *data set*. Four ways to get a better one, or to get one from nothing.
#
# **Easy wrong answers.** In our pairs both capitals lie on one continent. What if the wrong one comes from
# anywhere? `related.csv` has the same countries paired across continents. *Predict first:* up or down?
#
# **A leak.** Suppose that there is *nothing* to read: the label of each statement is a coin. A probe can still learn by heart which
# statement got which label, and if the test set holds the same statements in other words, it looks right. This is the **control
# task** of Hewitt and Liang. Accuracy on the real labels minus accuracy on the coins is the probe's **selectivity**.
#
# ### Exercise 4 · labels with nothing behind them (10 minutes, easy)


# %%
def control_labels(types: list, *, seed: int) -> torch.Tensor:
    """A coin for each type, [n] of 0 and 1: the same coin wherever the type comes again.

    Args:
        types: [n], hashable: what each row is one of, such as its word, or its statement.
        seed: of a torch.Generator of your own.
    """
    ### BEGIN SOLUTION
    names = list(dict.fromkeys(types))
    coins = torch.randint(2, (len(names),), generator=torch.Generator().manual_seed(seed))
    coin = dict(zip(names, coins.tolist(), strict=True))
    return torch.tensor([coin[each] for each in types])
    ### END SOLUTION


# %% tags=["check"]
lesson_05.check_control_labels(control_labels)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A coin for each row would be a shuffled-label control. Here rows of one type must agree: toss for the *names* of the types first.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randint(2, (n_types,), generator=...)`, a dictionary from type to coin, and then look every row up.
#
# </details>

# %% [markdown]
# Here each statement comes twice: as it is, and with "not" ("The capital of France is not Paris."). Both get the
# statement's coin. Split the rows at random, and a statement's twin often lies in the training set. Split by pair, and it never does.

# %%
from utils.probes import control_labels

UP_TO = 20  # the plateau's last layer; the blocks above need not run
related = read("related")
far = [row for row in related if row["family"] == "far capitals"]
at_far = probes.activations(model, column(far, "statement"), layers=LAYER)[LAYER]
denied = family("capitals", negated=1)
denied_stop = probes.activations(model, column(denied, "statement"), layers=UP_TO)

twice = torch.cat([at_stop[LAYER], denied_stop[LAYER]])
twice_pairs = pairs + column(denied, "pair")
facts_of = [(row["subject"], row["shown"]) for row in capitals + denied]
each_row = list(range(len(facts_of)))
coins = [control_labels(facts_of, seed=seed) for seed in range(5)]


def rate(x, y, groups, fit=probes.logistic) -> torch.Tensor:
    """1.0 where the cross-validated probe is right."""
    return probes.cross_validated(x, y, groups, fit=fit)


near_right = rate(at_stop[LAYER], y, pairs)
far_right = rate(at_far, labels(far), column(far, "pair"))
coin_by_row = torch.stack([rate(twice, coin, each_row) for coin in coins]).mean(0)
coin_by_pair = torch.stack([rate(twice, coin, twice_pairs) for coin in coins]).mean(0)

# %% [markdown]
# **An untrained model, and no model at all.** If a model with random weights gives the same accuracy, then training is not what is
# being read. And if the mean of the *embeddings* does, a bag of words would have done.

# %%
from transformer_lens.tools.analysis.interchange import random_init_bridge

untrained = random_init_bridge(str(fetch(DEFAULT)), seed=0, device=cfg.device)
at_untrained = probes.activations(untrained, column(capitals, "statement"), layers=LAYER)[LAYER]
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
ranges = {name: probes.bootstrap(v, groups=g) for name, (v, g) in compared.items()}
plots.bars(
    {name: v.mean().item() for name, (v, _) in compared.items()},
    title="Easy wrong answers and a leaky split raise the accuracy",
    y="accuracy (cross-validated)",
    low={name: low for name, (low, _) in ranges.items()},
    high={name: high for name, (_, high) in ranges.items()},
)

# %% [markdown]
# (All four fifths trained, one fifth tested, by pairs except where it says by row; logistic regression.)
#
# With wrong answers from other continents the accuracy rises from **0.79** to **0.91** (intervals **0.73** to **0.84** and **0.87** to **0.94**). The model is the
# same. The probe may now read "do these belong to the same part of the world?", which is no question of truth.
#
# Coins, split by row, can be "read" with **0.69**, where there is nothing to read. Split by pair: **0.49**. The untrained model
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
claim("untrained", untrained_right.mean(), text=0.50, within=0.05)
claim("bag of words", bag_right.mean(), text=0.52, within=0.05)
assert far_range[0] > near_range[1]
assert ranges["coins,<br>split by row"][0] > 0.55

# %% [markdown]
# **Unequal classes.** The fourth way: let one class be rare. Suppose that only one statement in ten is true. Then "always false" is right nine
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
lesson_05.check_auc(auc)

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
from utils.probes import auc

scores = logistic_probe.scores(x_test)
rare = torch.cat([(y[test] == 0).nonzero()[:, 0], (y[test] == 1).nonzero()[:5, 0]])
rare_scores, rare_labels = scores[rare], y[test][rare]
never = torch.full_like(rare_scores, -1.0)


def both_measures(scores: torch.Tensor) -> tuple[float, float]:
    return ((scores > 0) == (rare_labels == 1)).float().mean().item(), auc(scores, rare_labels)


imbalanced = {"logistic probe": both_measures(rare_scores), "always false": both_measures(never)}
plots.table(
    [(name, f"{a:.2f}", f"{b:.2f}") for name, (a, b) in imbalanced.items()],
    columns=["42 false and 5 true statements", "accuracy", "AUC"],
)

# %% [markdown]
# By accuracy, "always false" (**0.89**) beats the probe (**0.81**). By AUC it is worth exactly chance, and the probe clearly more. From here on, probes that were trained on one kind of statement are tested on
# others, where their threshold may sit in the wrong place. So AUC and *choices* (section 3) are the measures, and not accuracy.

# %% tags=["numbers"]
claim("always false, accuracy", imbalanced["always false"][0], text=0.89, within=0.01)
claim("probe, accuracy", imbalanced["logistic probe"][0], text=0.81, within=0.05)
assert imbalanced["always false"][1] == 0.5 < 0.7 < imbalanced["logistic probe"][1]

# %% [markdown]
# ## 5. Is it truth? Other facts, and "not"
#
# A direction of *truth* should serve for other facts too. There are four more families, all built from pairs as above: cities ("Shanghai is a city
# in China."), kinds ("A robin is a kind of bird."), opposites ("The opposite of hot is cold.") and comparisons ("Forty is larger than twenty-eight."). And each family
# has its **negations**, with the labels turned round.
#
# Train the difference of means on each of the ten, test on each, always on held-out pairs: how often does it choose the true one of two?
# *Predict first:* what will "not" do?

# %%
NAMES = ("capitals", "cities", "kinds", "opposites", "comparisons")
tables = {(name, negated): family(name, negated) for negated in (0, 1) for name in NAMES}
stops = {("capitals", 0): at_stop[: UP_TO + 1], ("capitals", 1): denied_stop}
for key, rows in tables.items():
    if key not in stops:
        top = UP_TO if key[0] == "kinds" else LAYER
        stops[key] = probes.activations(model, column(rows, "statement"), layers=top)
out_of = {
    key: split_by_group(column(rows, "pair"), test=0.4, seed=0) for key, rows in tables.items()
}


def fitted(key, fit, layer: int = LAYER) -> probes.Probe:
    """A probe trained on the training pairs of one family."""
    keep = ~out_of[key]
    return fit(stops[key][layer, keep], labels(tables[key])[keep])


def chooses(probe: probes.Probe, key) -> tuple[float, tuple[float, float]]:
    """The share of held-out subjects whose true statement scores higher, and its interval."""
    out = out_of[key]
    rows = [row for row, chosen in zip(tables[key], out, strict=True) if chosen]
    subjects = [(row["pair"], row["subject"]) for row in rows]
    found = probes.choices(probe.scores(stops[key][LAYER, out]), labels(tables[key])[out], subjects)
    values = list(found.values())
    return sum(values) / len(values), probes.bootstrap(values, groups=[pair for pair, _ in found])


keys = list(tables)
called = [("not: " if negated else "") + name for name, negated in keys]
transfer = {(a, b): chooses(fitted(a, probes.mean_difference), b) for a in keys for b in keys}
plots.matrix_heatmap(
    torch.tensor([[transfer[a, b][0] for b in keys] for a in keys]),
    rows=called,
    columns=called,
    title='What was learnt on one family serves others, and "not" turns it round',
    x="tested on (held-out pairs)",
    y="trained on",
    label="chooses right",
)

# %% [markdown]
# Trained on capitals, the probe chooses right among held-out capitals (**0.83**, interval **0.74** to **0.93**), and just as well among kinds (**0.94**) and
# opposites (**0.93**), which it never saw. So it is not about countries. It looks like truth, and one might stop here and
# publish.
#
# But on the *same* capitals with "not" it is right in **0.14** (**0.05** to **0.24**): far below chance, that is, reliably wrong. All affirmative families agree with one another and all
# negated ones disagree with them. What the direction reads does not change when "not" turns truth round. A good name for it is not *true*, but
# *these two belong together*.
#
# (On comparisons all four score about a half. There both numbers are in every statement, "belonging together" is no help, and the
# probe mostly prefers one and the same word, "larger" or "smaller". That is right half of the time, by design.)
#
# A second test of that name: "The opposite of hot is warm." It is false, but hot and warm belong together. Take the probe that was trained on capitals:

# %%
synonyms = [row for row in related if row["family"] == "synonyms"]
at_synonyms = probes.activations(model, column(synonyms, "statement"), layers=LAYER)[LAYER]
opposites_key = ("opposites", 0)
place = {(row["subject"], row["label"]): i for i, row in enumerate(tables[opposites_key])}
true_at = [place[row["subject"], 1] for row in synonyms]
unrelated_at = [place[row["subject"], 0] for row in synonyms]
kinds_of_answer = {}
for name in ("capitals", "kinds"):
    probe = fitted((name, 0), probes.mean_difference)
    of_opposites = probe.scores(stops[opposites_key][LAYER])
    synonym_scores = probe.scores(at_synonyms)
    kinds_of_answer[name] = {
        "above unrelated": (of_opposites[true_at] > of_opposites[unrelated_at]).float(),
        "above synonym": (of_opposites[true_at] > synonym_scores).float(),
    }
synonym_range = probes.bootstrap(kinds_of_answer["capitals"]["above synonym"])
plots.table(
    [
        (f"trained on {name}", *(f"{value.mean():.2f}" for value in found.values()))
        for name, found in kinds_of_answer.items()
    ],
    columns=[
        f"the true opposite scores, of {len(synonyms)}",
        "above an unrelated word",
        "above a synonym",
    ],
)

# %% [markdown]
# It ranks the true opposite above an unrelated word in **0.88**. Above a *synonym*, only in **0.36** (interval **0.24** to **0.50**): it does not
# prefer what is true, once the false answer fits as well.
#
# ### What if "not" is in the training set?
#
# Fair question: nobody told the probe about negation. Train logistic regression on a family *and* its negations.

# %%


def fitted_on_both(name: str) -> probes.Probe:
    """Logistic regression on the training pairs of a family, affirmative and negated."""
    keep = {n: ~out_of[name, n] for n in (0, 1)}
    x = torch.cat([stops[name, n][LAYER, keep[n]] for n in (0, 1)])
    return probes.logistic(x, torch.cat([labels(tables[name, n])[keep[n]] for n in (0, 1)]))


READABLE = NAMES[:4]
both = {name: fitted_on_both(name) for name in READABLE}
both_choose = {
    (a, b): sum(chooses(both[a], (b, n))[0] for n in (0, 1)) / 2 for a in READABLE for b in READABLE
}
plots.table(
    [
        (f"trained on {a} and negations", *(f"{both_choose[a, b]:.2f}" for b in READABLE))
        for a in READABLE
    ],
    columns=["chooses right, mean of affirmative and negated", *READABLE],
)

# %%
own_both = sum(both_choose[a, a] for a in READABLE) / 4
others_both = sum(both_choose[a, b] for a in READABLE for b in READABLE if a != b) / 12

# %% [markdown]
# On its own family such a probe does find something that "not" does not fool (mean over the four **0.70**). On the other families it is at **0.57**, little above chance. So there is
# a trace of truth under negation, and these probes found hardly any *common* direction for it, at this layer of this model. (For
# larger models the literature reports one; see the reading list.)

# %% tags=["numbers"]
cap, cap_not = ("capitals", 0), ("capitals", 1)
claim("capitals to capitals", transfer[cap, cap][0], text=0.83, within=0.03)
claim("its interval, low", transfer[cap, cap][1][0], text=0.74, within=0.04)
claim("its interval, high", transfer[cap, cap][1][1], text=0.93, within=0.04)
claim("capitals to kinds", transfer[cap, ("kinds", 0)][0], text=0.94, within=0.04)
claim("capitals to opposites", transfer[cap, ("opposites", 0)][0], text=0.93, within=0.04)
claim("capitals to negated capitals", transfer[cap, cap_not][0], text=0.14, within=0.03)
claim("its interval, low", transfer[cap, cap_not][1][0], text=0.05, within=0.03)
claim("its interval, high", transfer[cap, cap_not][1][1], text=0.24, within=0.03)
for a in keys[:4] + keys[5:9]:
    for b in keys[:4] + keys[5:9]:  # all but comparisons
        assert (transfer[a, b][0] > 0.5) == (a[1] == b[1])
assert all(abs(transfer[a, ("comparisons", 0)][0] - 0.5) < 0.1 for a in keys[:4])
claim(
    "opposite above unrelated",
    kinds_of_answer["capitals"]["above unrelated"].mean(),
    text=0.88,
    within=0.05,
)
claim(
    "opposite above synonym",
    kinds_of_answer["capitals"]["above synonym"].mean(),
    text=0.36,
    within=0.06,
)
claim("its interval, low", synonym_range[0], text=0.24, within=0.06)
claim("its interval, high", synonym_range[1], text=0.50, within=0.06)
claim("trained on both, own family", own_both, text=0.70, within=0.04)
claim("trained on both, other families", others_both, text=0.57, within=0.04)
assert (
    synonym_range[1] < 0.55
    and max(both_choose[a, b] for a in READABLE for b in READABLE if a != b) < 0.75
)

# %% [markdown]
# ## 6. A concept that does mind "not": sentiment
#
# Is that what linear probes always do? Take another concept. `sentiment.csv` has 40 good and 40 bad words in two sentences ("The movie was wonderful."), with and
# without "not". Whole *words* are held out.
#
# Here single words suffice: embeddings of good words resemble one another. So the bag of words is the control that asks whether
# the *model* reads sentiment at all. And "not" can be asked of both. A third sentence, with "very", is the control of that: another word is put in, and
# the meaning is *not* turned round.

# %%
feelings = read("sentiment")
plain = [row for row in feelings if not row["negated"]]
denied_feelings = [row for row in feelings if row["negated"]]
very = [
    {**row, "statement": row["statement"].replace(row["word"], f"very {row['word']}")}
    for row in plain
]
unseen = split_by_group(column(plain, "word"), test=0.4, seed=0)  # the three have one order
feeling = {
    name: probes.activations(model, column(rows, "statement"), layers=UP_TO)
    for name, rows in [("plain", plain), ("not", denied_feelings), ("very", very)]
}
bags = {
    name: bag_of_words(rows)
    for name, rows in [("plain", plain), ("not", denied_feelings), ("very", very)]
}
right_feeling = {"plain": labels(plain), "not": labels(denied_feelings), "very": labels(very)}


def auc_on_unseen(x: dict, name: str, fit=probes.mean_difference) -> float:
    """Trained on plain sentences with training words, tested on sentences with unseen ones."""
    probe = fit(x["plain"][~unseen], right_feeling["plain"][~unseen])
    return auc(probe.scores(x[name][unseen]), right_feeling[name][unseen])


def at(layer: int) -> dict:
    return {name: x[layer] for name, x in feeling.items()}


def auc_of_denied(name: str, layer: int) -> float:
    """Trained on a family, tested on the negations of its held-out pairs."""
    key = (name, 1)
    probe = fitted((name, 0), probes.mean_difference, layer)
    return auc(probe.scores(stops[key][layer, out_of[key]]), labels(tables[key])[out_of[key]])


layers = range(UP_TO + 1)
by_layer = {
    'sentiment, "not"': [auc_on_unseen(at(layer), "not") for layer in layers],
    'sentiment, "very" (control)': [auc_on_unseen(at(layer), "very") for layer in layers],
    'capitals, "not"': [auc_of_denied("capitals", layer) for layer in layers],
    'kinds, "not"': [auc_of_denied("kinds", layer) for layer in layers],
}
plots.lines(
    by_layer,
    title='From layer 15 on, "not good" reads as bad; "is not Paris" never reads as false',
    x="layer (full stop)",
    y="AUC on held-out statements",
)

# %%
bag_auc = {name: auc_on_unseen(bags, name, probes.logistic) for name in bags}
unseen_words = [row["word"] for row, out in zip(plain, unseen, strict=True) if out]
trained = {
    layer: probes.mean_difference(feeling["plain"][layer, ~unseen], right_feeling["plain"][~unseen])
    for layer in (14, 15)
}
not_right = {
    layer: is_right(probe, feeling["not"][layer, unseen], right_feeling["not"][unseen])
    for layer, probe in trained.items()
}
not_range = {
    layer: probes.bootstrap(value, groups=unseen_words) for layer, value in not_right.items()
}
plots.table(
    [
        ("bag of words", *(f"{bag_auc[name]:.2f}" for name in bags)),
        *(
            (f"layer {layer}", *(f"{auc_on_unseen(at(layer), name):.2f}" for name in bags))
            for layer in (LAYER, 14, 15)
        ),
    ],
    columns=["AUC on unseen words", "plain", "not", "very (control)"],
)

# %% [markdown]
# On plain sentences the bag of words reads the sentiment of *unseen* words with an AUC of **1.00**, as good as any layer. So an AUC of **1.00** at layer 12
# is no evidence that the model understood a sentence. Embeddings suffice.
#
# With "not", the bag of words is reliably wrong (**0.00**), and so are layers 12 (**0.05**) and 14 (**0.18**). Then, from one block to the
# next, the reading turns round: **1.00** at layer 15, with a probe that was never shown a "not". In accuracy, with its threshold left where it was:
# **0.94** (interval **0.88** to **0.98**). The control, "very", moves nothing. There
# the model has put "not" and "good" together. No bag of words does that.
#
# The statements of fact show nothing of the kind at any of these 21 layers. So the test is fair: it can be passed. The probe for sentiment passes it from layer 15 on, and the probe
# for truth does not.

# %% tags=["numbers"]
claim("bag of words, plain", bag_auc["plain"], text=1.00, within=0.02)
claim("bag of words, not", bag_auc["not"], text=0.00, within=0.03)
claim("layer 12, plain", auc_on_unseen(at(12), "plain"), text=1.00, within=0.01)
claim("layer 12, not", by_layer['sentiment, "not"'][12], text=0.05, within=0.05)
claim("layer 14, not", by_layer['sentiment, "not"'][14], text=0.18, within=0.06)
claim("layer 15, not", by_layer['sentiment, "not"'][15], text=1.00, within=0.01)
claim("layer 15, not, accuracy", not_right[15].mean(), text=0.94, within=0.03)
claim("its interval, low", not_range[15][0], text=0.88, within=0.05)
claim("its interval, high", not_range[15][1], text=0.98, within=0.05)
assert min(by_layer['sentiment, "very" (control)'][11:]) > 0.98
assert (
    min(by_layer['sentiment, "not"'][15:])
    > 0.95
    > 0.3
    > max(by_layer['sentiment, "not"'][1:15][3:])
)
assert max(by_layer['capitals, "not"'] + by_layer['kinds, "not"']) < 0.56

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


# %%
def ccs_loss(p_first: torch.Tensor, p_second: torch.Tensor) -> torch.Tensor:
    """The mean over pairs of consistency plus confidence, a scalar.

    Args:
        p_first, p_second: [pair], the probabilities that the first, and the second, is true.
    """
    ### BEGIN SOLUTION
    consistency = (p_first - (1 - p_second)) ** 2
    confidence = torch.minimum(p_first, p_second) ** 2
    return (consistency + confidence).mean()
    ### END SOLUTION


# %% tags=["check"]
lesson_05.check_ccs_loss(ccs_loss)

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
# `probes.ccs` minimises this loss. For "The opposite of hot is ..." the two halves are the two answers, in random order. Each half is first **normalised**: its own mean is
# taken away, and it is divided by its own spread. CCS cannot know which sign means true, so the better sign counts, and *agreement* starts at a half.
#
# Beside it: the first **principal component** of the differences (the direction in which they differ most), and a random direction.
#
# *Predict first:* now put a word in front that has nothing to do with the question. One statement of each pair begins with "Banana.", the
# other with "Shed.", by a coin. What will CCS find?

# %%
from utils.probes import ccs_loss


def halves(rows: list[dict], x: torch.Tensor, *, seed: int = 0):
    """First and second statement of each subject, in random order, and whether the first is true."""
    by_subject: dict = {}
    for i, row in enumerate(rows):
        by_subject.setdefault((row["pair"], row["subject"]), []).append(i)
    pairs_of = torch.tensor(list(by_subject.values()))
    flip = torch.rand(len(pairs_of), generator=torch.Generator().manual_seed(seed)) < 0.5
    pairs_of = torch.where(flip[:, None], pairs_of.flip(1), pairs_of)
    return x[pairs_of[:, 0]], x[pairs_of[:, 1]], pairs_of


opposites = tables[opposites_key]
first, second, at_rows = halves(opposites, stops[opposites_key][LAYER])
truth = labels(opposites)[at_rows[:, 0]]
banana_first = torch.rand(len(at_rows), generator=torch.Generator().manual_seed(2)) < 0.5
fruit = torch.zeros(len(opposites), dtype=torch.bool)
fruit[at_rows[:, 0]], fruit[at_rows[:, 1]] = banana_first, ~banana_first
distracted = [
    ("Banana. " if has else "Shed. ") + row["statement"]
    for has, row in zip(fruit.tolist(), opposites, strict=True)
]
at_distracted = probes.activations(model, distracted, layers=LAYER)[LAYER]
first_fruit, second_fruit = at_distracted[at_rows[:, 0]], at_distracted[at_rows[:, 1]]
random_directions = torch.randn(20, cfg.d_model, generator=torch.Generator().manual_seed(0))
random_agreement = torch.stack(
    [
        probes.Unsupervised((first - second) @ each, None).agreement(truth).mean()
        for each in random_directions
    ]
)
opposites_pairs = column(opposites, "pair")


def supervised_choice(x: torch.Tensor) -> float:
    """Logistic regression on training pairs: how often it chooses right on held-out ones."""
    out = out_of[opposites_key]
    probe = probes.logistic(x[~out], labels(opposites)[~out])
    held = [row["subject"] for row, chosen in zip(opposites, out, strict=True) if chosen]
    chosen = list(probes.choices(probe.scores(x[out]), labels(opposites)[out], held).values())
    return sum(chosen) / len(chosen)


supervised = supervised_choice(stops[opposites_key][LAYER])
supervised_fruit = supervised_choice(at_distracted)
found = [probes.ccs(first, second, seed=seed) for seed in range(3)]
found_fruit = [probes.ccs(first_fruit, second_fruit, seed=seed) for seed in range(3)]
agreement = torch.stack([each.agreement(truth) for each in found])
ccs_range = probes.bootstrap(
    agreement.mean(0), groups=[opposites_pairs[i] for i in at_rows[:, 0].tolist()]
)


def mean_agreement(found: list[probes.Unsupervised], with_what: torch.Tensor) -> float:
    return sum(each.agreement(with_what).mean().item() for each in found) / len(found)


component = [probes.first_component(first, second)]
component_fruit = [probes.first_component(first_fruit, second_fruit)]
banana = banana_first.long()
unsupervised = {
    "CCS": (
        mean_agreement(found, truth),
        mean_agreement(found_fruit, truth),
        mean_agreement(found_fruit, banana),
    ),
    "first principal component": (
        mean_agreement(component, truth),
        mean_agreement(component_fruit, truth),
        mean_agreement(component_fruit, banana),
    ),
}
plots.table(
    [
        *((name, *(f"{value:.2f}" for value in values)) for name, values in unsupervised.items()),
        ("logistic, with labels (held out)", f"{supervised:.2f}", f"{supervised_fruit:.2f}", ""),
        ("random direction (control)", f"{random_agreement.mean():.2f}", "", ""),
    ],
    columns=["opposites", "finds truth", "with distractor: truth", "with distractor: banana"],
)

# %% [markdown]
# Without labels CCS agrees with the truth in **0.95** of the pairs (three seeds; interval **0.90** to **0.98**). With labels it is **1.00** on held-out pairs, and a random
# direction agrees in **0.61**. Impressive.
#
# With a banana it finds the banana: **1.00**, and truth **0.50**. So does the principal component. The truth is still there: the probe with labels reads it
# on all held-out pairs. CCS asks for *a* direction that differs within every pair. Truth is one such, and so is anything else that differs within every pair. Farquhar and
# colleagues prove it; here you see it.
#
# One may say that nobody puts bananas into data. Look at our own, then.

# %%
kinds = tables["kinds", 0]
first_kind, second_kind, kind_rows = halves(kinds, stops["kinds", 0][LAYER])
kind_truth = labels(kinds)[kind_rows[:, 0]]
living = {"bird", "fish", "insect", "fruit", "vegetable"}  # each pair has one kind of these five
is_living = torch.tensor([row["shown"] in living for row in kinds]).long()[kind_rows[:, 0]]
found_kinds = [probes.ccs(first_kind, second_kind, seed=seed) for seed in range(3)]
elsewhere = {}
for name in ("capitals", "cities"):
    one, other, rows_of = halves(tables[name, 0], stops[name, 0][LAYER])
    each_seed = [probes.ccs(one, other, seed=seed) for seed in range(3)]
    elsewhere[name] = (
        sum(each.loss for each in each_seed) / 3,
        mean_agreement(each_seed, labels(tables[name, 0])[rows_of[:, 0]]),
    )
negation = {
    normalised: probes.ccs(
        stops["opposites", 0][LAYER], stops["opposites", 1][LAYER], normalise=normalised
    )
    for normalised in (True, False)
}
one_side = {
    n: abs((each.first > 0).float().mean().item() - 0.5) + 0.5 for n, each in negation.items()
}
negation_agreement = {n: each.agreement(labels(opposites)).mean() for n, each in negation.items()}
plots.table(
    [
        *(
            (
                f"kinds, seed {seed}",
                f"{each.loss:.4f}",
                f"{each.agreement(kind_truth).mean():.2f}",
                f"{each.agreement(is_living).mean():.2f} first five kinds",
            )
            for seed, each in enumerate(found_kinds)
        ),
        *(
            (
                f"opposites with their negations, {'normalised' if n else 'not normalised'}",
                f"{each.loss:.4f}",
                f"{negation_agreement[n]:.2f}",
                f"{one_side[n]:.2f} the same half",
            )
            for n, each in negation.items()
        ),
    ]
    + [
        (f"{name}, mean of three seeds", f"{loss:.4f}", f"{truth_found:.2f}", "")
        for name, (loss, truth_found) in elsewhere.items()
    ],
    columns=["pairs", "loss", "finds truth", "finds instead"],
)

# %% [markdown]
# Each pair of *kinds* happens to have one kind from the list bird, fish, insect, fruit, vegetable, and one from the other five. That is
# consistent too. **2** of three seeds find the list and not the truth, and at a *lower* loss. So to keep the lowest loss does not
# help. This data set was made with care by people who knew what they were after, and we saw it only when CCS found it.
#
# (Opposites were shown first because CCS works there. On capitals it agrees with the truth in **0.67**, on cities in **0.50**.)
#
# The pairs of the original method are a statement and its *negation*. There a probe could simply read the "not": that is what it does without
# normalisation, at hardly any loss. Normalising each half takes that way out. But then CCS finds little (**0.54**): section 5 said why, since
# this model's direction does not turn round with "not".

# %% tags=["numbers"]
claim("CCS, opposites", unsupervised["CCS"][0], text=0.95, within=0.04)
claim("its interval, low", ccs_range[0], text=0.90, within=0.05)
claim("its interval, high", ccs_range[1], text=0.98, within=0.03)
claim("with labels", supervised, text=1.00, within=0.04)
assert supervised_fruit > 0.95 and unsupervised["first principal component"][2] > 0.99
claim("random direction", random_agreement.mean(), text=0.61, within=0.04)
claim("and truth", unsupervised["CCS"][1], text=0.50, within=0.03)
claim("CCS finds the banana", unsupervised["CCS"][2], text=1.00, within=0.01)
kinds_find = [(e.agreement(kind_truth).mean(), e.agreement(is_living).mean()) for e in found_kinds]
claim("seeds that find the list", sum(lives > 0.95 for _, lives in kinds_find), text=2, within=1)
assert all(max(pair) > 0.95 > 0.65 > min(pair) for pair in kinds_find)
by_loss = sorted(zip([e.loss for e in found_kinds], kinds_find, strict=True))
assert by_loss[0][1][1] > 0.95, "the lowest loss belongs to the list"
claim("CCS, capitals", elsewhere["capitals"][1], text=0.67, within=0.07)
claim("CCS, cities", elsewhere["cities"][1], text=0.50, within=0.05)
claim("negation pairs, normalised", negation_agreement[True], text=0.54, within=0.05)
assert one_side[False] == 1.0 and negation[False].loss < 1e-3 and negation_agreement[False] < 0.52

# %% [markdown]
# ## 8. Does the model use it? Push
#
# All so far is correlation: *we* can read something at the full stop. Does the **model** use it? Push the activation along the direction, and see
# whether the model's own judgement moves.
#
# ### Exercise 7 · push (15 minutes, medium)


# %%
def push(
    resid: torch.Tensor, direction: torch.Tensor, positions: torch.Tensor, *, size: float
) -> torch.Tensor:
    """A copy of `resid` with a step of length `size` along `direction` at one position of each row.

    Args:
        resid: [batch, pos, d_model].
        direction: [d_model], of any length: only where it points matters.
        positions: [batch], one position for each row.
    """
    ### BEGIN SOLUTION
    resid = resid.clone()
    rows = torch.arange(len(resid), device=resid.device)
    step = size * direction / direction.norm()
    resid[rows, positions.to(resid.device)] += step.to(resid)
    return resid
    ### END SOLUTION


# %% tags=["check"]
lesson_05.check_push(push)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The step has length `size` whatever the length of `direction`: divide by its norm.
#
# </details>
# <details><summary>Hint 2</summary>
#
# As in exercise 1: two index tensors, `resid[rows, positions] += step`, on a clone.
#
# </details>

# %% [markdown]
# The judgement: after the statement comes "This statement is", and we measure `logit(" true") - logit(" false")`. **Gate:** can the model judge at all? On 40 held-out
# statements about opposites, a family that the probe reads well.
#
# The push has three times the length of the mean difference between true and false statements. We push at the full stop, and, with a direction of its own, at the answer's last
# token. **Controls:** 12 random directions of the same length at each. And, so that a zero means something, an upper bound: put in the *complete* activation of
# the other statement (a true one's for a false one's, and the reverse).
#
# *Predict first:* will the probe's direction move the judgement more than random ones do? At which token?

# %%
from utils.probes import push

out = out_of[opposites_key].nonzero()[:40, 0].tolist()
judged = [opposites[i] for i in out]
partner_of = {i: j for i, j in [*at_rows.tolist(), *at_rows.flip(1).tolist()]}
partner = torch.tensor([out.index(partner_of[i]) for i in out])
ids = [model.to_tokens(row["statement"] + " This statement is")[0] for row in judged]
tokens = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
ends = torch.tensor([len(row) for row in ids])
full_stops = torch.tensor([len(model.to_tokens(row["statement"])[0]) - 1 for row in judged])
TRUE, FALSE = first_token("true"), first_token("false")
every = torch.arange(len(judged))


@torch.no_grad()
def judgement(edit=None) -> torch.Tensor:
    """logit(true) - logit(false) for each statement, with `edit` applied to what block LAYER reads."""
    hooks = [(f"blocks.{LAYER}.hook_resid_pre", lambda resid, hook: edit(resid))] if edit else []
    with model.hooks(fwd_hooks=hooks):
        logits = last_token(model(tokens), ends)
    return (logits[:, TRUE] - logits[:, FALSE]).float().cpu()


def exchange(positions: list[torch.Tensor]):
    """Each statement gets its partner's activations at these positions."""

    def edit(resid):
        resid, before = resid.clone(), resid.clone()
        for at in positions:
            resid[every, at] = before[partner, at[partner]]
        return resid

    return edit


y_judged = torch.tensor(column(judged, "label"))
unchanged = judgement()
gate = probes.choices(unchanged, y_judged, column(judged, "subject"))
gate_range = probes.bootstrap(list(gate.values()))
gap = (unchanged[y_judged == 1].mean() - unchanged[y_judged == 0].mean()).item()
where = {"full stop": full_stops, "answer": full_stops - 1}
at_answers = probes.activations(
    model, column(opposites, "statement"), position=ANSWER, layers=LAYER
)[LAYER]
keep = ~out_of[opposites_key]
directions = {
    "full stop": fitted(opposites_key, probes.mean_difference).direction,
    "answer": probes.mean_difference(at_answers[keep], labels(opposites)[keep]).direction,
}


def effect_of(direction: torch.Tensor, token: str) -> float:
    """Mean change of the judgement when every statement is pushed at one token."""
    size = 3 * directions[token].norm().item()
    change = judgement(lambda resid: push(resid, direction, where[token], size=size))
    return (change - unchanged).mean().item()


# Towards true: what becomes of false statements that get a true one's activations, and back.
towards = 1 - 2 * y_judged.float()
pushed = {token: effect_of(directions[token], token) for token in where}
random_pushes = {
    token: torch.tensor([effect_of(each, token) for each in random_directions[:12]])
    for token in where
}
exchanged = {
    token: ((judgement(exchange([at])) - unchanged) * towards).mean().item()
    for token, at in where.items()
}
shown, low, high = {}, {}, {}
for token in where:
    randoms = f"12 random,<br>{token}"
    shown[f"probe,<br>{token}"] = pushed[token]
    shown[randoms] = random_pushes[token].mean().item()
    low[randoms], high[randoms] = (end.item() for end in random_pushes[token].aminmax())
    shown[f"exchange,<br>{token}"] = exchanged[token]
plots.bars(
    shown,
    title="A push along the probe's direction does no more than random pushes do",
    y="change of logit(true) - logit(false)",
    low=low,
    high=high,
)

# %% [markdown]
# The gate is hardly passed: the model prefers "true" for the true one of two statements in **0.70** of the cases (interval **0.50** to **0.90**). True and
# false ones differ by **0.32** in the logit difference. Keep that in mind: it is a small model's weak judgement.
#
# To exchange the complete activation of the answer's last token brings **0.28** of that difference: what is needed is there, at this layer. To exchange the full stop's brings
# **0.00**. The probe read the opposites nearly perfectly at a token that, at this layer, plays no part in the judgement!
#
# The pushes along the probe's directions change the judgement by **-0.03** (full stop) and **-0.08** (answer). Random pushes of the same length do as much and more:
# they range from **-0.27** to **0.28**, and from **-0.46** to **0.04**. So here a direction that reads well does not steer. What is *decodable* need not be *used*.
#
# This is one layer, one length and one question. It does not show that no push would work. Lesson 07 comes back to it, with a dose-response curve.

# %% tags=["numbers"]
claim("gate: chooses right", sum(gate.values()) / len(gate), text=0.70, within=0.05)
claim("its interval, low", gate_range[0], text=0.50, within=0.05)
claim("its interval, high", gate_range[1], text=0.90, within=0.05)
claim("true minus false", gap, text=0.32, within=0.04)
claim("exchange at the answer", exchanged["answer"], text=0.28, within=0.05)
claim("exchange at the full stop", exchanged["full stop"], text=0.00, within=0.03)
claim("push at the full stop", pushed["full stop"], text=-0.03, within=0.03)
claim("push at the answer", pushed["answer"], text=-0.08, within=0.04)
claim("lowest random, full stop", random_pushes["full stop"].min(), text=-0.27, within=0.05)
claim("highest random, full stop", random_pushes["full stop"].max(), text=0.28, within=0.05)
claim("lowest random, answer", random_pushes["answer"].min(), text=-0.46, within=0.06)
claim("highest random, answer", random_pushes["answer"].max(), text=0.04, within=0.05)
for token in where:
    assert random_pushes[token].min() < pushed[token] < random_pushes[token].max()

# %% [markdown]
# ## What you found

# %%
plots.table(
    [
        (
            "held-out capitals, logistic (accuracy)",
            f"{held_out['logistic'].mean():.2f} ({held_out_range['logistic'][0]:.2f} to "
            f"{held_out_range['logistic'][1]:.2f})",
            f"{held_out['logistic, labels shuffled (control)'].mean():.2f} shuffled, "
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
            "capitals to negated capitals",
            f"{transfer[cap, cap_not][0]:.2f}",
            f"{transfer[cap, cap][0]:.2f} without not",
            "negation breaks probes (Levinstein and Herrmann, a LLaMA model)",
        ),
        (
            "sentiment, not: layer 14, layer 15 (AUC)",
            "{:.2f}, {:.2f}".format(*by_layer['sentiment, "not"'][14:16]),
            f"{bag_auc['not']:.2f} bag of words",
            "",
        ),
        (
            "CCS, opposites; with a banana",
            f"{unsupervised['CCS'][0]:.2f}; {unsupervised['CCS'][1]:.2f}",
            f"{random_agreement.mean():.2f} random direction",
            "finds the distractor (Farquhar et al., larger models)",
        ),
        (
            "push at the answer",
            f"{pushed['answer']:+.2f}",
            f"{random_pushes['answer'].min():+.2f} to {random_pushes['answer'].max():+.2f} random, "
            f"{exchanged['answer']:+.2f} complete exchange",
            "",
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
# 4. Sentiment turns round between the layers 14 and 15. Which heads would you look at, with the methods of lessons 02 and 03?
# 5. The push had three times the length of the mean difference. What would you expect of thirty times, and what control would you need then?
#
# ## Common mistakes
#
# - Position -1 of a padded batch: padding. And a position before the answer: the same vector for true and false.
# - A difference of means without its midpoint.
# - A split by row where rows have twins.
# - Choosing the layer by the test set. With thirty layers the best of them looks good by luck alone.
# - Comparing a model's free answer with a probe's choice between two.
# - Reporting accuracy where a class is rare, or where the threshold comes from other data.
#
# ## Where this breaks
#
# One small model, short English sentences, wrong answers of one making. A larger model may well have a direction that turns round with "not". Held-out sets are small: look
# at the intervals. Two probes at two tokens were tried; a probe that is not linear may read more, and by the same reasoning may learn more by heart.
#
# ## Further reading
#
# - Hewitt and Liang (2019), *Designing and Interpreting Probes with Control Tasks*, arXiv 1909.03368
# - Marks and Tegmark (2023), *The Geometry of Truth*, arXiv 2310.06824
# - Li et al. (2023), *Inference-Time Intervention*, arXiv 2306.03341
# - Burns et al. (2022), *Discovering Latent Knowledge* (CCS), arXiv 2212.03827
# - Farquhar et al. (2023), *Challenges with unsupervised LLM knowledge discovery*, arXiv 2312.10029
# - Levinstein and Herrmann (2023), *Still no lie detector for language models*
#
# **Next:** 06 · World models

# %%
progress.show("05")
