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
# # 1.1 · Induction heads
#
# [![Open lesson 1.1 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/11_induction_heads.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [00 · Meet the model](00_meet_the_model.ipynb) | **Next:** [1.2 · How induction is made](12_how_induction_is_made.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/00_meet_the_model.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb)
#
# A language model finds it much easier to continue a text that it has just read. In this lesson you will
#
# 1. find the attention heads that attend to what came next last time;
# 2. measure how much the model needs them;
# 3. build a control for that measurement, run it, and explain what it shows.
#
# **Time** 60 minutes, and 25 to go deeper. **Needs** lesson 00: tokens, BOS, hooks.
# **Runs** in about two minutes on a laptop's processor.

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
from jaxtyping import Float, Int
from torch import Tensor

from utils import plots
from utils.checks import lesson_11
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.circuits.induction import repeat_costs, repeated_tokens
from utils.heads import head_name, random_heads, top_heads
from utils.lesson import ROOT, claim
from utils.models import load
from utils.stats import bootstrap

model = load()
cfg = model.cfg


@torch.no_grad()
def say_twice(text: str):
    """The model's loss at each token of a text, when it comes the first and the second time."""
    ids = model.to_tokens(" " + text, prepend_bos=True)[0]
    twice = torch.cat([ids, ids[1:]])[None]
    loss = model(twice, return_type="loss", loss_per_token=True)[0].tolist()
    n = len(ids) - 1
    return plots.lines(
        {"first time": loss[:n], "second time": loss[n:]},
        at=[f"{i} {token}" for i, token in enumerate(model.to_str_tokens(ids[1:]), 1)],
        title="How surprised is the model by each token?",
        x="token",
        y="loss (nats)",
    )


# Type a sentence of your own, and run this cell again.
say_twice("Marguerite Oyelaran kept a small bakery near the harbour of Tarbert.")

# %% [markdown]
# The loss at a token is `-log p(token)`, in nats, given all tokens before it: the model's surprise. The second time, nearly every token is expected.
#
# How can a transformer do this? A hypothesis, for a text with `A B` in it, of which the current token is again `A`:

# %%
figures.diagram(
    boxes={
        "A": (0, 0),
        "B, after A": (1, 0),
        "A again, the current token": (2.6, 0),
        "induction head": (1.8, 1),
        "prediction: B": (2.9, 1),
    },
    arrows=[
        ("A again, the current token", "induction head", "query: what came after A?"),
        ("B, after A", "induction head", "attended to: B is read"),
        ("induction head", "prediction: B", "raises B's logit"),
    ],
    marked=["induction head"],
    title="The hypothesis: some head looks up what came next last time",
)

# %% [markdown]
# Olsson and colleagues (2022) call a head that does this an **induction head**. Does any head look
# there, and does the model need it?
#
# ## 1. A test without meaning
#
# In a sentence, grammar and topic help as well. So the test uses **random tokens**: BOS, 50 random tokens, and the same 50 again.
# Nothing but the repeat can help. In the control the second half is random too, but not the same.
#
# A model that gives each of the 49,152 tokens the same probability has a loss of ln 49152, about `10.8` nats.

# %%
predict(
    "11.first_half",
    "On the first 50 random tokens, is the model's loss lower or higher than 10.8 nats?",
    choices=["lower", "about the same", "higher"],
)

# %%
SEQ_LEN = 50
kind = {
    "d_vocab": cfg.d_vocab,
    "bos": model.tokenizer.bos_token_id,
    "n_special": 17,
}  # ids 0 to 16 are special
draw = torch.Generator().manual_seed(0)
tokens = repeated_tokens(SEQ_LEN, batch=16, **kind, generator=draw).to(cfg.device)
other = repeated_tokens(SEQ_LEN, batch=16, **kind, generator=draw).to(cfg.device)
unrepeated = torch.cat([tokens[:, : 1 + SEQ_LEN], other[:, 1 + SEQ_LEN :]], dim=1)
with torch.no_grad():
    loss = model(tokens, return_type="loss", loss_per_token=True).cpu()  # [row, 2 * SEQ_LEN]
    control_loss = model(unrepeated, return_type="loss", loss_per_token=True).cpu()
first_half = loss[:, :SEQ_LEN]
repeat = loss[:, SEQ_LEN + 1 :]  # without its first token
outcome(
    "11.first_half",
    "higher"
    if first_half.mean() > 12
    else "lower"
    if first_half.mean() < 9.6
    else "about the same",
)
figure = plots.lines(
    {"repeated": loss.mean(0).tolist(), "not repeated (control)": control_loss.mean(0).tolist()},
    at=range(1, 1 + 2 * SEQ_LEN),
    chance=10.8,
    title="What happens to the loss where the repeat starts, at token 51?",
    x="number of the predicted token",
    y="mean loss of 16 rows (nats)",
)
figure.add_annotation(x=6, y=10.3, text="even guess: 10.8", showarrow=False)

# %% [markdown]
# On the first half the mean loss is **14.3** nats: worse than an even guess. The model expects text, and these are not; it is
# confidently wrong. On the repeat the loss falls to **3.3** on average. It does not fall at once: it takes about ten tokens (*Going deeper* asks why).
# In the control it stays above 12 nats.
# The repeat's first token is left out of means, here and below, since nothing says that the repeat begins.

# %% tags=["numbers"]
claim("loss on the first half, nats", first_half.mean(), text=14.3, within=0.5)
claim("loss on the repeat, nats", repeat.mean(), text=3.3, within=0.49)
assert control_loss[:, SEQ_LEN + 1 :].mean() > 12
assert (
    loss[:, SEQ_LEN + 1 : SEQ_LEN + 3].mean() > 10 > 6 > loss[:, SEQ_LEN + 9 : SEQ_LEN + 12].mean()
)

# %% [markdown]
# ## 2. Which heads look there?
#
# Below are three heads on 8 random tokens that come twice. Click a head, then point at a token to see where it looks (attends). One
# attends to the previous token, one to BOS, and one to what came next last time.

# %%
predict(
    "11.which",
    "Which of the three heads below is the induction head?",
    choices=["L11H1", "L18H6", "L18H8"],
)
short = repeated_tokens(8, batch=1, **kind, generator=torch.Generator().manual_seed(3))
with torch.no_grad():
    _, cache = model.run_with_cache(
        short.to(cfg.device), names_filter=lambda name: name.endswith("hook_pattern")
    )
shown = [(11, 1), (18, 6), (18, 8)]
figures.attention_heads(
    torch.stack([cache["pattern", layer][0, head] for layer, head in shown]),
    model.to_str_tokens(short[0]),
    names=[head_name(head) for head in shown],
)

# %% [markdown]
# A head's **attention pattern** is a matrix [query, key]: how much each token, the query, attends to each earlier one, the key. BOS
# stands at position 0, and each half has 50 tokens. The token of the query at position 60 stood at
# 10 before, and what came next stood at 11. So induction looks 49 positions back, from every query in the repeat: a **stripe** parallel
# to the matrix's diagonal.
#
# ### Exercise 1 · a score for every head (12 minutes, medium)
#
# Run the model once, with a hook on the attention pattern of every layer, and keep each head's mean attention on a stripe. The
# pattern of a layer, [batch, head, query, key], is at the hook `blocks.{layer}.attn.hook_pattern`. A hook is a function of the
# activation and the hook point, `def keep(pattern, hook)`; the second must be called `hook`. One that returns nothing changes nothing.
# `hook.layer()` is the layer's number.
# `model.run_with_hooks(tokens, fwd_hooks=[(name, function), ...])` runs the model with hooks.


# %% tags=["exercise:utils.circuits.induction.stripe_scores"]
def stripe_scores(
    model, tokens: Int[Tensor, "batch pos"], *, back: int
) -> Float[Tensor, "layer head"]:
    """Each head's attention to the position `back` before the query, over queries in the repeat.

    The mean over all rows and over the `seq_len` queries of the second half, from one forward
    pass without gradients. With `back = seq_len - 1` it is the induction score of Olsson et al.,
    2022 (arXiv 2209.11895), over the repeat alone.

    Args:
        tokens: BOS and two halves of `seq_len` tokens: 1 + 2 * seq_len positions.
        back: how far before the query the key stands; 1 is the previous token.
    """
    ### BEGIN SOLUTION
    seq_len = (tokens.shape[1] - 1) // 2
    queries = torch.arange(seq_len + 1, 2 * seq_len + 1)
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)

    def keep(pattern, hook):
        scores[hook.layer()] = pattern[:, :, queries, queries - back].mean((0, 2))

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
    return scores
    ### END SOLUTION


# %% tags=["check"]
stripe_scores = lesson_11.check_stripe_scores(stripe_scores)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `run_with_cache` would keep all patterns whole. A hook can keep one number a head: create `scores` before the run, and let
# the hook write row `hook.layer()` of it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The queries are at positions `seq_len + 1` to `2 * seq_len`. With `queries = torch.arange(seq_len + 1, 2 * seq_len + 1)`, what
# does `pattern[:, :, queries, queries - back]` hold, and over which of its axes should you take the mean?
#
# </details>

# %%
scores = stripe_scores(model, tokens, back=SEQ_LEN - 1)
control_scores = stripe_scores(model, unrepeated, back=SEQ_LEN - 1)
TOP = top_heads(scores, 5)
outcome("11.which", head_name(TOP[0]))
plots.heatmap(
    scores,
    title="Which heads attend to what came next last time?",
    x="head",
    y="layer",
    label="induction score",
    text=figures.named_heads(scores, 8),
)

# %% tags=["nbval-check-output"]
print("the five highest scores:", sorted(head_name(head) for head in TOP))
print(f"the same five without a repeat: {max(control_scores[h] for h in TOP):.1f} at most")

# %% [markdown]
# Five heads in layers 17 and 18 score highest, led by L18H6 with **0.88**. Some later heads score half as much. Most of the 270 heads
# score below `0.03`. On the sequence that does *not* repeat, the five hardly attend 49 back. So it is the repeat that they follow, and
# not the distance.

# %% tags=["numbers"]
claim("induction score of L18H6", scores[18, 6], text=0.88, within=0.04)
assert TOP[0] == (18, 6) and set(TOP) == {(18, 6), (17, 3), (17, 4), (17, 5), (18, 7)}
assert scores.median() < 0.03 and max(control_scores[head] for head in TOP) < 0.06
assert {head[0] for head in top_heads(scores, 8)[5:]} <= {20, 21, 22, 23}

# %% [markdown]
# ## 3. Does the model need them?
#
# So far these heads look at the right place. That is a correlation. To see whether the model needs them, **ablate** them: replace
# their output by a constant, and measure the loss on the repeat. An output of zero is unlike what later layers
# were trained on, and may do damage of its own. A head's own **mean** is nearer to
# what they usually receive. So this course uses *mean ablation*.
#
# ### Exercise 2 · the ablation hooks (11 minutes, medium)
#
# A head's output before it is written to the residual stream is `z`, at the hook `blocks.{layer}.attn.hook_z`, [batch, pos, head, d_head]. A
# hook that *returns* a tensor puts it in the place of the activation. Build the hooks for a list of heads, such as
# `[(17, 3), (18, 6), (17, 5)]`: layers may come in any order, and several heads may be in one. One hook a layer or one a head: both will do.
# The mean is over all rows and positions of the `z` that the hook is given.
#
# Beware of loops: a function made in a loop sees the loop's variables as they are when it is *called*, which is after the loop. So make each hook in an
# outer function that takes the heads as an argument.


# %% tags=["exercise:utils.heads.ablation_hooks"]
def ablation_hooks(model, heads: Sequence[tuple[int, int]]) -> list[tuple[str, Callable]]:
    """Pairs (name, hook) for `model.hooks` that mean-ablate all of `heads`, (layer, number) each.

    In a run with these hooks, each of the heads gives its mean over batch and positions in place of
    its output `z`. Other heads, and the tensor that a hook is given, stay as they are.
    """
    ### BEGIN SOLUTION

    def replacing(numbers):
        def replace(z, hook):
            z = z.clone()
            z[:, :, numbers] = z[:, :, numbers].mean((0, 1), keepdim=True)
            return z

        return replace

    layers = {}
    for layer, head in heads:
        layers.setdefault(int(layer), []).append(int(head))
    return [(f"blocks.{i}.attn.hook_z", replacing(numbers)) for i, numbers in layers.items()]
    ### END SOLUTION


# %% tags=["check"]
ablation_hooks = lesson_11.check_ablation_hooks(ablation_hooks)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Write the outer function first: `def replacing(numbers)`, which defines a hook for these numbers and returns it. The hook works on
# a copy (`z.clone()`), since others may hold `z` itself.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For `numbers = [3, 5]`, `z[:, :, numbers].mean((0, 1), keepdim=True)` has one vector for each of the two heads. For one hook a layer, sort the
# heads first, in a dictionary from a layer to its heads' numbers.
#
# </details>

# %% [markdown]
# The heads were chosen on one set of random tokens, so test them on fresh ones: 12 rows with halves of 25. Ablate the
# highest-scoring head, then the two highest, and so on. As a control, ablate as many heads drawn at random from the whole model.
#
# `repeat_costs(model, tokens, interventions)` gives what each list of hooks adds to the loss on the repeat, [intervention, row]. From each row's
# loss it subtracts the *same* row's loss in the intact model: a *paired* comparison, in which the rows' own differences cancel. To save time, the
# random heads run on the first 3 of the 12 rows.

# %%
fresh = repeated_tokens(25, batch=12, **kind, generator=torch.Generator().manual_seed(1))
fresh = fresh.to(cfg.device)
unlike = torch.cat([fresh[:, :26], fresh.roll(1, 0)[:, 26:]], dim=1)  # another row's second half


def cost_of(sets: list, rows: torch.Tensor = fresh[:3]) -> torch.Tensor:
    """What ablating each set of heads adds to the loss on the second half, [set, row]."""
    return repeat_costs(model, rows, [ablation_hooks(model, heads) for heads in sets]).cpu()


by_k = cost_of([TOP[:k] for k in range(1, 6)], fresh)  # [k, row]
five, five_unlike = by_k[4], cost_of([TOP], unlike)[0]
chooser = torch.Generator().manual_seed(2)
anywhere = {"layers": range(cfg.n_layers), "n_heads": cfg.n_heads, "but": TOP}
random_sets = [random_heads(k, **anywhere, generator=chooser) for k in (1, 3, 5) for _ in range(8)]
random_cost = cost_of(random_sets).mean(1)
panel = "added loss on the second half (nats)"
shown = {f"top {k} by score": cost for k, cost in enumerate(by_k, 1)}
shown["top 5, where nothing repeats"] = five_unlike
dots = {f"{k} at random": random_cost[at : at + 8].tolist() for k, at in ((1, 0), (3, 8), (5, 16))}
plots.intervals(
    {panel: {name: (cost.mean().item(), *bootstrap(cost)) for name, cost in shown.items()}},
    dots={panel: dots},
    title="How much harder is the repeat without these heads?",
)

# %% [markdown]
# Without the five heads the repeat costs **5.8** nats more. (The bars are 95% intervals: a *bootstrap* draws the 12 rows again with replacement, a thousand times.)
# The median random draw costs next to nothing. And where the second half repeats nothing, losing the five costs nothing either: ablating
# them is no general damage. So the model seems to need these five, and not just any heads.

# %% tags=["numbers"]
claim("cost of the five, nats", five.mean(), text=5.8, within=0.85)
assert random_cost.median() < 0.3 and bootstrap(five).low > 4
with torch.no_grad():
    halves = model(fresh, return_type="loss", loss_per_token=True).cpu()
assert halves[:, 26:].mean() + five.mean() < halves[:, :25].mean() - 2
assert abs(five_unlike.mean()) < 0.2 and bootstrap(five - five_unlike).low > 4

# %% [markdown]
# ## 4. A control that you would defend
#
# A colleague is not convinced. "Any five heads would have cost that much," she says. You show her the grey dots. "Those differ from your five
# in more than their score," she answers. What might she mean? Print `TOP` and a few of `random_sets`.
#
# ### Exercise 3 · audit: a fair control (7 minutes, medium)
#
# Decide which heads a fair control may have, draw sets of them, and run these. `random_heads(n, layers=..., n_heads=..., but=..., generator=...)` draws
# `n` different heads from the given layers, none of them in `but`. The check looks at your sets as your colleague would.


# %% tags=["exercise:utils.circuits.induction.fair_control"]
def fair_control(
    cost_of: Callable,
    chosen: Sequence[tuple[int, int]],
    n: int,
    *,
    n_layers: int,
    n_heads: int,
    generator: torch.Generator,
) -> tuple[list[list[tuple[int, int]]], Float[Tensor, "set row"]]:
    """`n` random sets of heads, each a control for ablating the set `chosen`, and their costs.

    A set has as many heads as `chosen`, all different. It should be like `chosen` in whatever else
    could explain a cost. Draw from at least four times as many
    heads as `chosen` has, so that the sets differ.

    Args:
        cost_of: gives what ablating each of a list of sets costs, [set, row].
        chosen: the heads under test, (layer, number) each.
        n_layers, n_heads: of the model; layers and heads count from 0.
        generator: of the draws, so that a seed gives the same sets again.
    """
    ### BEGIN SOLUTION
    layers = [layer for layer, _ in chosen]
    near = range(max(0, min(layers) - 2), min(n_layers, max(layers) + 3))
    sets = [
        random_heads(len(chosen), layers=near, n_heads=n_heads, but=chosen, generator=generator)
        for _ in range(n)
    ]
    return sets, cost_of(sets)
    ### END SOLUTION


# %% tags=["check"]
fair_control = lesson_11.check_fair_control(fair_control)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# How many heads does each set have, where in the model are they, and could one of the tested heads be among them? Whatever
# differs is a second explanation of a difference in cost.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The tested heads' own layers have too few other heads. Take two layers more on either side: `range(min(layers) - 2, max(layers) + 3)`, which must end
# where the model ends.
#
# </details>

# %%
predict(
    "11.control",
    "The five heads cost about 6 nats. Of 64 sets from your control, what will the most expensive one cost?",
    choices=["under 1 nat", "1 to 2 nats", "2 to 4 nats", "over 4 nats"],
)

# %%
size = {"n_layers": cfg.n_layers, "n_heads": cfg.n_heads}
seeded = torch.Generator().manual_seed(4)
draws, draw_costs = fair_control(cost_of, TOP, 64, **size, generator=seeded)
draw_costs = draw_costs.mean(1)  # [draw], over the same three rows
below = {1: "under 1 nat", 2: "1 to 2 nats", 4: "2 to 4 nats", float("inf"): "over 4 nats"}
outcome("11.control", next(name for most, name in below.items() if draw_costs.max() < most))
random_five = random_cost[-8:].tolist()
plots.intervals(
    {panel: {"the five induction heads": (five.mean().item(), *bootstrap(five))}},
    dots={panel: {"5 at random, any layer": random_five, "your 64 sets": draw_costs.tolist()}},
    title="What do sets of five other heads cost?",
)

# %% [markdown]
# Most of these sets cost little beside the five. But some cost about as much as losing all five induction heads, and between the two
# kinds there is a gap.

# %% tags=["numbers"]
expensive = draw_costs > 3
assert draw_costs[~expensive].median() < 0.8
assert 2 <= expensive.sum() <= 16 and draw_costs[expensive].mean() > 0.75 * five.mean()
assert draw_costs[~expensive].max() < 2.5

# %% [markdown]
# ### Investigation · what makes a draw expensive? (9 minutes, medium)
#
# `draws` is a list of 64 sets of heads, and `draw_costs` has what each costs. Write code that finds the head behind the expensive
# draws. Then confirm your suspect on its own: `trial([head, ...])` ablates heads on fresh rows, and you have five trials. Beware: a
# head may be in an expensive draw by accident.
#
# Your answer is a pair (layer, head).

# %%
trials = []  # run this cell again only to start over

# %%
unseen = repeated_tokens(25, batch=8, **kind, generator=torch.Generator().manual_seed(5))


def trial(heads: list) -> float:
    """What ablating these heads adds to the loss on the repeat of fresh rows, in nats."""
    if len(trials) == 5:
        raise RuntimeError("Your five trials are spent.")
    trials.append(heads)
    return cost_of([heads], unseen.to(cfg.device)).mean().item()


# %%
# Your code here.

# %% tags=["answer:shared_head"]
### BEGIN SOLUTION
shared_head = (16, 0)
### END SOLUTION

# %% tags=["check"]
shared_head = lesson_11.check_shared_head(shared_head)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `for head in {head for heads in draws for head in heads}` goes through every head that was drawn.
# `torch.tensor([head in heads for heads in draws])` says which draws it is in. Compare the mean cost of those with that of the others.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `draw_costs[drawn].mean() - draw_costs[~drawn].mean()` is large for the head that matters, and smaller for one that was there by
# accident. Give the two largest a trial each.
#
# </details>

# %%
with_it = torch.tensor([shared_head in heads for heads in draws])
print(f"draws with {head_name(shared_head)}: {draw_costs[with_it].min():.1f} nats or more")
print(f"draws without it: {draw_costs[~with_it].max():.1f} nats or less")
previous = stripe_scores(model, tokens[:8], back=1)  # where do heads look at the previous token?
singles = [TOP[0], *top_heads(previous, 3)]
alone, alone_unlike = (cost_of([[head] for head in singles], rows) for rows in (fresh, unlike))
plots.table(
    [
        (head_name(h), f"{scores[h]:.2f}", f"{previous[h]:.2f}")
        + tuple(
            f"{c.mean():+.2f} ({bootstrap(c).low:+.2f} to {bootstrap(c).high:+.2f})" for c in costs
        )
        for h, *costs in zip(singles, alone, alone_unlike, strict=True)
    ],
    columns=[
        "head",
        "induction score",
        "previous-token score",
        "cost on the repeat, nats (95%)",
        "where nothing repeats",
    ],
)

# %% [markdown]
# One head accounts for it: every draw with this head is expensive, and none of the others. Alone it costs **4.5** nats,
# more than twice as much as the best induction head, and next to nothing where nothing repeats. Yet its induction score is near zero. Your own
# `stripe_scores` with `back=1` says what it does instead: it has the highest **previous-token score** of all heads, **0.90**.
#
# Is every head expensive that looks at the previous token? No: L11H1 scores nearly as high and costs next to nothing, and L19H3 costs
# far less than L16H0. So a high score does not
# show that a head is needed.
#
# Your control was fair, and still some of its sets hit another head that the repeat needs. With five draws you might have missed
# it, or taken one expensive draw for bad luck. So look at single draws.
#
# Why should a repeat need a head that looks at the previous token? Look at the diagram again: what must be known at
# the position of `B`, for a query from the current `A` to find it? Lesson 1.2 takes the mechanism apart.

# %% tags=["numbers"]
claim("cost of L16H0 alone, nats", alone[1].mean(), text=4.5, within=0.65)
claim("previous-token score of L16H0", previous[16, 0], text=0.90, within=0.04)
assert with_it.equal(expensive) and scores[16, 0] < 0.05
assert singles == [(18, 6), shared_head, (11, 1), (19, 3)]
assert bootstrap(alone[1] - 2 * alone[0]).low > 0
assert abs(alone_unlike[1].mean()) < 0.25 and bootstrap(alone[1] - alone_unlike[1]).low > 3
assert abs(alone[2].mean()) < 0.2 and 3 * alone[3].mean() < alone[1].mean()
effect = {
    head: draw_costs[drawn].mean() - draw_costs[~drawn].mean()
    for head in {head for heads in draws for head in heads}
    for drawn in [torch.tensor([head in heads for heads in draws])]
}
assert max(effect, key=effect.get) == shared_head, "the answer is what the draws show"

# %% [markdown]
# ## 5. What you found

# %% tags=["results"]
plots.table(
    [
        (
            "loss on first half, repeat (nats)",
            f"{first_half.mean():.1f}, {repeat.mean():.1f}",
            f"{control_loss[:, SEQ_LEN + 1 :].mean():.1f} on other tokens",
            "",
        ),
        (
            "induction heads",
            f"{len(TOP)} of {scores.numel()}, in layers 17 and 18",
            f"{max(control_scores[head] for head in TOP):.2f} at most without a repeat",
            "Olsson et al. 2022: in transformers of two layers and more",
        ),
        (
            "added loss without the five (nats)",
            f"{five.mean():.1f}",
            f"{draw_costs.median():.1f} median, {draw_costs.max():.1f} worst of 64 sets; "
            f"{five_unlike.mean():+.2f} where nothing repeats",
            "",
        ),
        (
            f"added loss without {head_name(shared_head)} (nats)",
            f"{alone[1].mean():.1f}",
            f"{alone[2].mean():+.2f} without {head_name(singles[2])}; "
            f"{alone_unlike[1].mean():+.2f} where nothing repeats",
            "Elhage et al. 2021: a previous-token head feeds induction, in two layers",
        ),
    ],
    columns=["", "SmolLM2-135M-Instruct", "control", "papers, with their models"],
)

# %% [markdown]
# Five heads look at what came next last time, and without them the repeat is hard. A control that was fair found a sixth, which looks
# elsewhere and matters more than any one of them. Where a head looks does not say whether it is needed.

# %% [markdown]
# ## Going deeper: natural text
#
# Random tokens rule out memorised text. They are also unlike anything in training, so repeat the test on English:
# twelve passages of 100 tokens, written for this lesson, with names and phrases that come back. And twelve answers of
# SmolLM2 itself to requests, in which it repeats itself.
#
# Five heads were chosen on random tokens. Do they help with repeats in text, and *only* there?
#
# ### Exercise 4 · repeats in text (12 minutes, medium)
#
# A token counts as a **repeat** if the model could have copied it: the pair of its predecessor and itself came
# before in the text. All other tokens of the same text are the control: heads that do general damage would cost there as well.
#
# `model(tokens, return_type="loss", loss_per_token=True)` gives the losses, [text, pos - 1]. Give it all texts as one batch: the ablation's mean
# is taken over the batch. With `pairs = list(zip(ids[:-1], ids[1:]))` for a text's list of ids, entry `i` of its losses is about the second token of `pairs[i]`.


# %% tags=["exercise:utils.circuits.induction.text_costs"]
def text_costs(model, tokens: Int[Tensor, "text pos"], hooks: list) -> Float[Tensor, "text kind=2"]:
    """What hooks add to the loss of each text, in nats a token: on repeats, and on all others.

    A token is a repeat if it and its predecessor stood side by side earlier in the text, in this
    order. The first token is never predicted, and counts nowhere. No gradients are kept.

    Args:
        tokens: texts of one length.
        hooks: pairs of a hook's name and its function, as `ablation_hooks` gives.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        intact = model(tokens, return_type="loss", loss_per_token=True)
        with model.hooks(fwd_hooks=hooks):
            added = model(tokens, return_type="loss", loss_per_token=True) - intact
    costs = []
    for ids, each in zip(tokens.tolist(), added, strict=True):
        pairs = list(zip(ids[:-1], ids[1:], strict=True))
        repeat = torch.tensor([pair in pairs[:i] for i, pair in enumerate(pairs)])
        costs.append(torch.stack([each[repeat].mean(), each[~repeat].mean()]))
    return torch.stack(costs)
    ### END SOLUTION


# %% tags=["check"]
text_costs = lesson_11.check_text_costs(text_costs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each text, make a mask over its pairs: `True` where the pair came before. The added loss, indexed by the mask and by its
# opposite, has the two kinds.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Entry `i` is a repeat if `pairs[i] in pairs[:i]`.
#
# </details>

# %%
from data.chat.task import texts


def n_repeats(ids: torch.Tensor) -> int:
    pairs = list(zip(ids.tolist()[:-1], ids.tolist()[1:], strict=True))
    return len(pairs) - len(set(pairs))


lines = (ROOT / "data" / "induction" / "passages.txt").read_text(encoding="utf-8").splitlines()
bos = torch.tensor([model.tokenizer.bos_token_id])
passages = [model.to_tokens(line, prepend_bos=True)[0, :100].cpu() for line in lines]
answers = [torch.cat([bos, ids[:99].long()]) for ids in texts("held_out") if len(ids) >= 99]
answers = [ids for ids in answers if n_repeats(ids) >= 10][:180:15]
written = {"passages": torch.stack(passages), "model's answers": torch.stack(answers)}

matched = [heads for heads in draws if shared_head not in heads][0]
ways = {"the five": TOP, "a matched set": matched}
text_cost = {
    (name, way): text_costs(model, rows.to(cfg.device), ablation_hooks(model, heads)).cpu()
    for name, rows in written.items()
    for way, heads in ways.items()
}
rows = []
for (name, way), cost in text_cost.items():
    difference = cost[:, 0] - cost[:, 1]  # paired: both kinds of one text
    low, high = bootstrap(difference)
    means = [f"{value:+.2f}" for value in (*cost.mean(0), difference.mean())]
    rows.append((name, way, *means, f"{low:+.2f} to {high:+.2f}"))
plots.table(
    rows,
    columns=[
        "texts",
        "ablated",
        "on repeats",
        "on others",
        "difference",
        "95% interval over texts",
    ],
)

# %% [markdown]
# In the passages the five heads cost **1.27** nats on each repeat, and next to nothing on other tokens. In the model's own answers they cost
# **0.21**: there a repeat is easy to predict without them. The matched set, one of your 64 without L16H0, costs next to nothing on repeats in the
# passages. In the answers the two are closer, and twelve texts do not settle how much. So the heads do in the passages what they do on random tokens. In text
# the model has other ways as well: grammar and topic to go by.
#
# The passages were written to contain repeats, and the model's answers are its own. How much the heads matter for text in general
# is not measured here.

# %% tags=["numbers"]
claim(
    "the five on repeats in passages",
    text_cost["passages", "the five"][:, 0].mean(),
    text=1.27,
    within=0.1,
)
claim(
    "the five on repeats in answers",
    text_cost["model's answers", "the five"][:, 0].mean(),
    text=0.21,
    within=0.03,
)
for name in written:
    of_five = text_cost[name, "the five"]
    assert bootstrap(of_five[:, 0] - of_five[:, 1]).low > 0 and of_five[:, 1].mean() < 0.06
in_passages, of_set = (text_cost["passages", way][:, 0] for way in ways)
assert bootstrap(in_passages - of_set).low > 0.5 and of_set.mean() < 0.2

# %% [markdown]
# ## Going deeper: why is the model slow to notice?
#
# In the first figure the loss fell over some ten tokens after the repeat began. If a head needs one match of the current token,
# why not at once? Two explanations:
#
# - **The match must grow.** One equal token may be chance. The heads wait until several in a row have matched.
# - **The start is special.** The tokens that are matched first stand right after BOS, at the start of the row. Perhaps *they* are hard to find.
#
# Both fit the figure. To tell them apart, let the second half repeat from the *eleventh* token on. Then the match lies nearer as well, 14 tokens
# back instead of 24. So there is a control: a repeat from the first token, 14 back.

# %%
predict(
    "11.lag",
    "When the repeat starts at the first half's 11th token, the loss will fall",
    choices=["as slowly as before", "much faster"],
)

# %%
N = 48
front = repeated_tokens(25, batch=N, **kind, generator=torch.Generator().manual_seed(9))
middle = torch.cat([front[:, :26], front[:, 11:26]], dim=1)  # 25 tokens, then the 11th to the 25th
near = torch.cat([front[:, :16], front[:, 1:16]], dim=1)  # 15 tokens, twice


@torch.no_grad()
def after_the_repeat(
    rows: torch.Tensor, *, start: int, back: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses at the repeat's 2nd to 15th token [row, 14], and L18H6's attention to each [row, 14]."""
    attention = []

    def keep(pattern, hook):
        queries = torch.arange(start, start + 14)
        attention.append(pattern[:, 6, queries, queries - back].cpu())

    loss = model.run_with_hooks(
        rows.to(cfg.device),
        fwd_hooks=[("blocks.18.attn.hook_pattern", keep)],
        return_type="loss",
        loss_per_token=True,
    )
    return loss[:, start : start + 14].cpu(), attention[0]


def band(values: torch.Tensor) -> torch.Tensor:
    """Mean and 95% interval over rows, [3, 14]."""
    error = 1.96 * values.std(0) / len(values) ** 0.5
    return torch.stack([values.mean(0), values.mean(0) - error, values.mean(0) + error])


slow, slow_attention = after_the_repeat(front[:, :41], start=26, back=24)
quick, quick_attention = after_the_repeat(middle, start=26, back=14)
close, close_attention = after_the_repeat(near, start=16, back=14)
outcome(
    "11.lag", "much faster" if quick[:, 2].mean() < slow[:, 2].mean() - 2 else "as slowly as before"
)
plots.curves(
    {
        ("loss (nats)", " "): {
            "repeat from the 1st token": band(slow),
            "repeat from the 11th token": band(quick),
            "from the 1st, as near (control)": band(close),
        },
        ("attention", " "): {
            "repeat from the 1st token": band(slow_attention),
            "repeat from the 11th token": band(quick_attention),
            "from the 1st, as near (control)": band(close_attention),
        },
    },
    at=range(2, 16),
    title="How fast does the loss fall, and L18H6's attention rise?",
    x="token of the repeat that is predicted",
)

# %% [markdown]
# When the repeat starts at the eleventh token, L18H6 finds the match at once: its attention is **0.7** at the first
# chance, where it was close to zero before. At the repeat's fourth token the loss is several nats lower than before. The control is as slow as
# before, so the distance is not the reason. So most of the delay belongs to the
# start of the row, and the growing match explains little of it. What is left is a delay of two tokens.
#
# The first figure invited the first explanation, and it would have been wrong.

# %% tags=["numbers"]
claim(
    "attention at the first chance, 11th token", quick_attention[:, 0].mean(), text=0.7, within=0.1
)
gap = slow[:, 2] - quick[:, 2]  # paired: both from the same first half
assert gap.mean() > 2 and gap.mean() > 3 * gap.std() / N**0.5
assert slow_attention[:, 0].mean() < 0.15 and close_attention[:, 0].mean() < 0.15
gap = close[:, 2] - quick[:, 2]
assert gap.mean() > 2 and gap.mean() > 3 * gap.std() / N**0.5

# %% [markdown]
# ## Questions to discuss
#
# 1. The five heads were chosen on one set of rows and tested on another. What could go wrong if both were the same?
# 2. A colleague reports that "ablating induction heads costs 6 nats, and five random heads hardly anything". What would you ask for?
# 3. L16H0 costs more than any induction head. Is it then a better candidate for "the induction head"? What does a large effect of an ablation show, and what not?
# 4. Which behaviours would you expect to have no head that can be found like this?
#
# ## Common mistakes
#
# - The stripe at `seq_len` back is the earlier copy of the token itself: *duplicate-token* heads look there.
# - Counting the first token of the repeat, which cannot be predicted.
# - Changing an activation in place in a hook: others may hold the same tensor.
# - A single random set as a control, or one that differs from the tested set in its layers.
#
# ## Where this breaks
#
# "Induction head" is here a name for a score on random tokens. The same heads may do other things on other text. Mean ablation depends on
# the rows that the mean is taken over. Without the five heads the repeat is still easier than the first half, so something else helps.
#
# ## Further reading
#
# - Olsson et al. (2022), *In-context Learning and Induction Heads*, arXiv 2209.11895
# - Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*
# - Wang et al. (2022), arXiv 2211.00593: induction heads within a larger circuit of GPT-2 small
# - Yin and Steinhardt (2025), arXiv 2502.14010: what induction heads do for few-shot learning, in 12 models
# - `transformer_lens.head_detector.detect_head` finds previous-token, duplicate-token and induction heads in any text
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [00 · Meet the model](00_meet_the_model.ipynb) | **Next:** [1.2 · How induction is made](12_how_induction_is_made.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/00_meet_the_model.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("11")
