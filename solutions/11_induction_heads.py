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
# 1. find the attention heads that make a repeat easy, and show that they cause it;
# 2. test the finding against a control that is hard to pass;
# 3. explain why some of the control's random draws fail.
#
# **Time** 60 minutes, and 45 to go deeper. **Needs** lesson 00: tokens, BOS, hooks.
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
from utils.circuits.induction import repeated_tokens
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
        at=[f"{token} ({i})" for i, token in enumerate(model.to_str_tokens(ids[1:]), 1)],
        title="How surprised is the model by each token?",
        x="token",
        y="loss (nats)",
    )


# Type a sentence of your own, and run this cell again.
say_twice("Marguerite Oyelaran kept a small bakery near the harbour of Tarbert.")

# %% [markdown]
# The loss at a token is `-log p(token)`, in nats, given all tokens before it: the model's surprise. Try a sentence that
# nobody can have written before. The second time, nearly every token is expected.
#
# How can a transformer do this? A hypothesis, for a text with `A B` in it, of which the current token is again `A`:

# %%
figures.diagram(
    boxes={
        "A": (0, 0),
        "B": (1, 0),
        "...": (2, 0),
        "A (current)": (3, 0),
        "induction head": (3, 1),
        "prediction: B": (3, 2),
    },
    arrows=[
        ("A (current)", "induction head", "query: what came after A?"),
        ("B", "induction head", "attends here, and reads B"),
        ("induction head", "prediction: B", "raises the logit of B"),
    ],
    marked=["induction head"],
    title="The hypothesis: some head looks up what came next last time",
)

# %% [markdown]
# Olsson and colleagues (2022) call a head that does this an **induction head**. The lesson tests the hypothesis in three
# steps: does any head look there, does the model need those heads, and does it need them more than others?
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
kind = {"d_vocab": cfg.d_vocab, "bos": model.tokenizer.bos_token_id, "n_special": 17}
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
plots.lines(
    {"repeated": loss.mean(0).tolist(), "not repeated (control)": control_loss.mean(0).tolist()},
    at=range(1, 1 + 2 * SEQ_LEN),
    chance=10.8,
    title="What happens to the loss where the repeat starts, at token 51?",
    x="number of the predicted token",
    y="mean loss of 16 rows (nats)",
)

# %% [markdown]
# On the first half the mean loss is **14.3** nats: worse than an even guess. The model expects text, and these are not; it is
# confidently wrong. On the repeat the loss falls to **3.3** on average. It does not fall at once: it takes about ten tokens (the last section asks why).
# In the control it stays above 12 nats.
#
# The first token of the repeat is left out, here and below: nothing says that the repeat begins.

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
# Below are three heads on 8 random tokens that come twice. Click a head, then point at a token to see where it looks (attends). One of them
# looks at the previous token. One rests on BOS, whatever comes. One looks for what came next last time.

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
# A head's **attention pattern** is a matrix [query, key]: how much each token, the query, attends to each earlier one, the key. Say
# BOS stands at position 0, and each half has 50 tokens. Take the query at position 60. Its token stood at
# position 10 before, and what came next stood at 11. So induction looks 49 positions back, from every query in the repeat. In the
# matrix that is a **stripe** parallel to the diagonal.
#
# ### Exercise 1 · a score for every head (10 minutes, medium)
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
    2022 (arXiv 2209.11895), without the queries that have nothing to match.

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

# %% [markdown]
# Five heads in layers 17 and 18 stand out, led by L18H6 with **0.87**. Some in layers 20 to 23 do part of it. Most of the 270 heads
# score below `0.03`. On the sequence that does *not* repeat, the same stripe gets next to nothing from the five. So they look for a match,
# and not simply 49 back.

# %% tags=["numbers"]
claim("induction score of L18H6", scores[18, 6], text=0.87, within=0.04)
assert TOP[0] == (18, 6) and set(TOP) == {(18, 6), (17, 3), (17, 4), (17, 5), (18, 7)}
assert scores.median() < 0.03 and max(control_scores[head] for head in TOP) < 0.06
assert {head[0] for head in top_heads(scores, 8)[5:]} <= {20, 21, 22, 23}

# %% [markdown]
# ## 3. Does the model need them?
#
# So far these heads look at the right place. That is a correlation. To see whether the model needs them, **ablate** them: take
# away what they say about the input, and measure the loss on the repeat.
#
# What should stand in the place of a head's output? Zero is something that later layers never see. The head's **mean** over many tokens is more
# usual, and it says nothing about the token at hand. So this course uses *mean ablation*.
#
# ### Exercise 2 · the ablation hooks (12 minutes, medium)
#
# A head's output before it is written to the residual stream is `z`, at the hook `blocks.{layer}.attn.hook_z`, [batch, pos, head, d_head]. A
# hook that *returns* a tensor puts it in the place of the activation. Build the hooks for a list of heads, such as
# `[(17, 3), (18, 6), (17, 5)]`: layers may come in any order, and several heads may be in one.


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
# First sort the heads by layer: a dictionary from the layer to its heads' numbers. Each layer then needs one hook, which works on
# a copy (`z.clone()`), since others may hold `z` itself.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A function made in a loop sees the loop's variables as they are when it is *called*: after the loop, the last layer's. Make
# the hook in a function of its own that takes the numbers as an argument. For `numbers = [3, 5]`, `z[:, :, numbers].mean((0, 1), keepdim=True)` has
# one vector for each of the two heads.
#
# </details>

# %% [markdown]
# ### Exercise 3 · the sweep (10 minutes, medium)
#
# Now the measurement: what does each of many interventions add to the loss on the repeat? Rows of random tokens differ a lot, and an
# intervention runs on the same rows as the intact model. So compare row by row, a *paired* comparison. The rows' own differences then cancel.
#
# `with model.hooks(fwd_hooks=...)` puts hooks on for as long as the block lasts. `model(tokens, return_type="loss", loss_per_token=True)` gives
# the loss of each predicted token, [batch, pos - 1]: entry `i` is the loss at token `i + 1`.


# %% tags=["exercise:utils.circuits.induction.repeat_costs"]
def repeat_costs(
    model, tokens: Int[Tensor, "batch pos"], interventions: Sequence[list]
) -> Float[Tensor, "intervention batch"]:
    """What each intervention adds to the loss on the repeat, in nats, row by row.

    The loss of a row is its mean over the tokens of the second half, without the first of them,
    which cannot be predicted. What is subtracted is the same row's loss in the intact model, which
    runs once. No gradients are kept.

    Args:
        tokens: BOS and two equal halves.
        interventions: for each a list of (hook's name, hook function), as `ablation_hooks` gives.
    """
    ### BEGIN SOLUTION
    start = (tokens.shape[1] - 1) // 2 + 1

    def loss(hooks):
        with model.hooks(fwd_hooks=hooks):
            each = model(tokens, return_type="loss", loss_per_token=True)
        return each[:, start:].mean(1)

    with torch.no_grad():
        intact = loss([])
        return torch.stack([loss(hooks) - intact for hooks in interventions])
    ### END SOLUTION


# %% tags=["check"]
repeat_costs = lesson_11.check_repeat_costs(repeat_costs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Write a function inside that gives the rows' losses under some hooks, and call it with no hooks for the intact model: once is
# enough.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In `BOS a b c a b c` the losses are of `a b c a b c`, entries 0 to 5. The repeat without its first token begins at
# entry 4, which is `seq_len + 1`.
#
# </details>

# %% [markdown]
# The heads were chosen on one set of random tokens, so test them on fresh ones: 12 rows with halves of 25. Ablate the
# highest-scoring head, then the two highest, and so on up to eight. As a control, ablate as many heads drawn at random from
# the whole model, eight times over.

# %%
fresh = repeated_tokens(25, batch=12, **kind, generator=torch.Generator().manual_seed(1))
fresh = fresh.to(cfg.device)
some = fresh[:3]  # enough for large effects, and faster


def cost_of(sets: list, rows: torch.Tensor) -> torch.Tensor:
    """What ablating each set of heads adds to the loss on the repeat, [set, row]."""
    return repeat_costs(model, rows, [ablation_hooks(model, heads) for heads in sets]).cpu()


best = top_heads(scores, 8)
by_k = cost_of([best[:k] for k in range(1, 9)], fresh)  # [k, row]
chooser = torch.Generator().manual_seed(2)
anywhere = {"layers": range(cfg.n_layers), "n_heads": cfg.n_heads, "but": best}
random_sets = [
    random_heads(k, **anywhere, generator=chooser) for k in (1, 3, 5, 8) for _ in range(8)
]
random_cost = cost_of(random_sets, some).mean(1)

five = by_k[4]
error = 1.96 * by_k.std(1) / len(fresh) ** 0.5
figure = plots.lines(
    {"the k heads of highest score": by_k.mean(1).tolist()},
    at=range(1, 9),
    title="How much of the repeat is lost with the k highest-scoring heads?",
    x="k, number of heads ablated",
    y="added loss on the repeat (nats)",
)
figure.data[0].error_y = {"array": error.tolist()}
figure.add_scatter(
    x=[len(heads) for heads in random_sets],
    y=random_cost.tolist(),
    mode="markers",
    marker={"symbol": "circle-open", "color": "#555", "size": 8},
    name="k random heads: one dot a draw",
)

# %% [markdown]
# Without the five heads the repeat costs **5.8** nats more (bars: 95% intervals over rows). More heads add little. Most random
# draws cost next to nothing, even of eight heads. So the answer seems clear: the model needs these five, and not just any heads. One
# draw of eight heads is a strange exception. Bad luck?

# %% tags=["numbers"]
claim("cost of the five, nats", five.mean(), text=5.8, within=0.85)
assert random_cost.median() < 0.3 and five.mean() - error[4] > 4
assert by_k[7].mean() - by_k[4].mean() < 0.4 * by_k[4].mean()

# %% [markdown]
# ## 4. Is the control a fair one?
#
# The five heads are in layers 17 and 18. The random heads come from everywhere: many are in early layers, some in the last ones. Perhaps
# *any* five heads in the middle of the model matter for the repeat. A fair control differs from the tested heads in one thing alone: its
# heads are no induction heads. In all else that might matter, such as the number of heads and their layers, it is alike: a *matched* control.
#
# ### Exercise 4 · the harder control (8 minutes, easy)
#
# Layer 17 alone has too few other heads to draw from. So let each head's stand-in come from its own layer or one of the layers near it.


# %% tags=["exercise:utils.circuits.induction.matched_sets"]
def matched_sets(
    chosen: Sequence[tuple[int, int]],
    n: int,
    *,
    reach: int,
    n_layers: int,
    n_heads: int,
    generator: torch.Generator,
) -> list[list[tuple[int, int]]]:
    """`n` random sets of heads (layer, head), each a control for ablating the set `chosen`.

    In each set every chosen head has one stand-in, in the order of `chosen`: drawn evenly from the
    heads of the layers at most `reach` away from its own, not among the chosen, and no head twice.

    Args:
        chosen: the heads under test.
        n_layers, n_heads: of the model; layers and heads count from 0.
        generator: hand it to the random function, so that a seed gives the same sets again.
    """
    ### BEGIN SOLUTION
    sets = []
    for _ in range(n):
        drawn = []
        for layer, _ in chosen:
            near = range(max(0, layer - reach), min(n_layers, layer + reach + 1))
            pool = [(i, j) for i in near for j in range(n_heads)]
            pool = [head for head in pool if head not in chosen and head not in drawn]
            drawn.append(pool[torch.randint(len(pool), (1,), generator=generator).item()])
        sets.append(drawn)
    return sets
    ### END SOLUTION


# %% tags=["check"]
matched_sets = lesson_11.check_matched_sets(matched_sets)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each set, go through the chosen heads. For each, list all heads of the layers near its own that are not taken yet, and
# draw one. `range(max(0, layer - reach), min(n_layers, layer + reach + 1))` stays within the model.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randint(len(pool), (1,), generator=generator).item()` is a random place in a list.
#
# </details>

# %%
predict(
    "11.control",
    "The five heads cost about 6 nats. What will the most expensive of 64 matched sets cost?",
    choices=["under 1 nat", "1 to 2 nats", "2 to 4 nats", "over 4 nats"],
)

# %%
size = {"n_layers": cfg.n_layers, "n_heads": cfg.n_heads}
draws = matched_sets(TOP, 64, reach=2, **size, generator=torch.Generator().manual_seed(4))
draw_costs = cost_of(draws, some).mean(1)  # [draw]
below = {1: "under 1 nat", 2: "1 to 2 nats", 4: "2 to 4 nats", float("inf"): "over 4 nats"}
outcome("11.control", next(name for most, name in below.items() if draw_costs.max() < most))
five_low, five_high = bootstrap(five)
plots.intervals(
    {
        "added loss on the repeat (nats)": {
            "the five induction heads": (five.mean().item(), five_low, five_high)
        }
    },
    dots={
        "added loss on the repeat (nats)": {
            "5 random heads, any layer": random_cost[16:24].tolist(),
            "5 matched heads: 64 draws": draw_costs.tolist(),
        }
    },
    title="What do sets of five other heads cost?",
)

# %% [markdown]
# Most matched draws cost little beside the five, though somewhat more than heads from anywhere. But some draws are almost as bad as
# losing all five induction heads, and between the two kinds there is a gap. What is it about these draws?

# %% tags=["numbers"]
expensive = draw_costs > 3
assert random_cost[16:24].median() < draw_costs[~expensive].median() < 0.5
assert 3 <= expensive.sum() <= 16 and draw_costs[expensive].min() > 3.3
assert draw_costs[~expensive].max() < 2.2

# %% [markdown]
# ### Investigation · which head do they share? (10 minutes, medium)
#
# `draws` is a list of 64 sets of heads, and `draw_costs` has what each costs. Write code that finds the head behind the expensive
# draws. Then confirm your suspect on its own: `trial([head, ...])` ablates heads on fresh rows, and you have five trials. Beware: a
# head may be in an expensive draw by accident.
#
# Your answer is a pair (layer, head).

# %%
trials = []
unseen = repeated_tokens(25, batch=8, **kind, generator=torch.Generator().manual_seed(5))


def trial(heads: list) -> float:
    """What ablating these heads adds to the loss on the repeat of fresh rows, in nats."""
    if len(trials) == 5:
        raise RuntimeError("Your five trials are spent: run this cell again to get new ones.")
    trials.append(heads)
    return cost_of([heads], unseen.to(cfg.device)).mean().item()


# Your code here: for example, the mean cost of the draws with a head, less that of the draws without.

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
# `torch.tensor([head in heads for heads in draws])` says which draws it is in.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `draw_costs[drawn].mean() - draw_costs[~drawn].mean()` is large for the head that matters, and about half as large for one that
# shared half of its draws. Give the two largest a trial each.
#
# </details>

# %%
with_it = torch.tensor([shared_head in heads for heads in draws])
alone = cost_of([[shared_head]], fresh)[0]
previous = stripe_scores(model, tokens[:8], back=1)  # where do heads look at the previous token?
print(f"draws with {head_name(shared_head)}:    {draw_costs[with_it].min():.1f} nats or more")
print(f"draws without it: {draw_costs[~with_it].max():.1f} nats or less")
print(f"{head_name(shared_head)} alone:      {alone.mean():.1f} nats")
print(f"its induction score: {scores[shared_head]:.2f}")
print(
    "previous-token scores:", *(f"{head_name(h)} {previous[h]:.2f}" for h in top_heads(previous, 3))
)

# %% [markdown]
# One head accounts for it: every draw with this head is expensive, and none of the others. Alone it costs **4.5** nats,
# more than twice as much as the best induction head. Yet its induction score is near zero. Your own `stripe_scores` with `back=1`
# says what it does instead: it has the highest **previous-token score** of all heads, **0.90**. From nearly every token it looks at the one
# before.
#
# So the control was not clean: some of its draws hit another component of the same mechanism. With five draws you might have missed
# it, or taken one expensive draw for bad luck. Look at single draws, and at the worst of them.
#
# Why should continuing a repeat need a head that looks at the previous token? Look at the diagram again: what must be known at
# the position of `B`, for a query from the current `A` to find it? Lesson 1.2 takes the mechanism apart.

# %% tags=["numbers"]
claim("cost of L16H0 alone, nats", alone.mean(), text=4.5, within=0.65)
claim("previous-token score of L16H0", previous[16, 0], text=0.90, within=0.04)
assert with_it.equal(expensive) and scores[16, 0] < 0.05
assert top_heads(previous, 1) == [shared_head] and alone.mean() > 2 * by_k[0].mean()
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
            "in all models of 2 to 40 layers (Olsson et al. 2022); L5H5, L6H9 in GPT-2 small (Wang et al. 2022)",
        ),
        (
            "added loss without the five (nats)",
            f"{five.mean():.1f}",
            f"{draw_costs.median():.1f} median, {draw_costs.max():.1f} worst of 64 matched sets",
            "",
        ),
        (
            f"added loss without {head_name(shared_head)} (nats)",
            f"{alone.mean():.1f}",
            f"{by_k[0].mean():.1f} without the best induction head",
            "a previous-token head feeds induction (Elhage et al. 2021, two layers)",
        ),
    ],
    columns=["", "SmolLM2-135M-Instruct", "control", "papers, with their models"],
)

# %% [markdown]
# ## Going deeper: natural text
#
# Random tokens rule out memorised text. They are also unlike anything in training, so repeat the test on English:
# twelve passages of 100 tokens, written for this lesson, with names and phrases that come back. And twelve answers of
# SmolLM2 itself to requests, in which it repeats itself.
#
# Five heads were chosen on random tokens. Do they help with repeats in text, and *only* there?
#
# ### Exercise 5 · repeats in text (15 minutes, medium)
#
# A token counts as a **repeat** if the model could have copied it: the pair of its predecessor and itself came
# before in the text.


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
# The losses are one shorter than the text: entry `i` belongs to the pair of tokens `i` and `i + 1`. Make the list of all
# pairs of a text first.
#
# </details>
# <details><summary>Hint 2</summary>
#
# With `pairs = list(zip(ids[:-1], ids[1:]))`, entry `i` is a repeat if `pairs[i] in pairs[:i]`.
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
# **0.22**: there a repeat is easy to predict without them. The matched set, one from the draws without L16H0, does no more to repeats than to other tokens. So the heads do in text what they do on random tokens, and there the
# model has other ways as well: it has grammar and topic to go by.
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
    text=0.22,
    within=0.03,
)
for name in written:
    of_five, of_others = (text_cost[name, way] for way in ways)
    assert bootstrap(of_five[:, 0] - of_five[:, 1]).low > 0 and of_five[:, 1].mean() < 0.06
    assert (of_others[:, 0] - of_others[:, 1]).mean() < 0.1

# %% [markdown]
# ## Going deeper: every head, one at a time
#
# The score chose five heads, and chance found L16H0. What would a full search have found? Here each of the 54 heads of layers 16
# to 21 is ablated alone, on two rows.

# %%
region = [(layer, head) for layer in range(16, 22) for head in range(cfg.n_heads)]
single = dict(
    zip(region, cost_of([[head] for head in region], fresh[:2]).mean(1).tolist(), strict=True)
)
worst_ten = sorted(single, key=single.get, reverse=True)[:10]
plots.scatter(
    {head_name(head): (scores[head].item(), cost) for head, cost in single.items()},
    title="Does the score say what a head is worth? Each head alone",
    x="induction score",
    y="added loss on the repeat without it (nats)",
    named=[head_name(head) for head in {*TOP, *worst_ten[:2]}],
)

# %% [markdown]
# The most expensive head has no induction score at all: it is L16H0. L18H6, the best by the score, is among the next. But the score does
# not order the five: L17H4 and L17H5 score above `0.5` and cost little *alone*. Together the five cost more than the sum of their
# single costs, since one can stand in for another. Ablating a single head measures what the others cannot make up for.
#
# More than half of these heads cost less than `0.1` nats each.

# %% tags=["numbers"]
alone_sum = sum(single[head] for head in TOP)
assert worst_ten[0] == (16, 0) and {(18, 6)} <= set(worst_ten[:3])
assert alone_sum < five[:2].mean() - 0.5
assert single[17, 4] < 0.4 * single[18, 6] and single[17, 5] < 0.4 * single[18, 6]
assert sorted(single.values())[30] < 0.1

# %% [markdown]
# ## Going deeper: why is the model slow to notice?
#
# In the first figure the loss fell over some ten tokens after the repeat began. If a head needs one match of the current token,
# why not at once? Two explanations:
#
# - **The match must grow.** One equal token may be chance. The heads wait until several in a row have matched.
# - **The start is special.** The tokens that are matched first stand right after BOS, at the start of the row. Perhaps *they* are hard to find.
#
# Both fit the figure. To tell them apart, change one and leave the other: let the second half repeat from the *eleventh* token on.

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


@torch.no_grad()
def after_the_repeat(rows: torch.Tensor, *, back: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses at the repeat's 2nd to 15th token [row, 14], and L18H6's attention to each [row, 14]."""
    attention = []

    def keep(pattern, hook):
        queries = torch.arange(26, 40)
        attention.append(pattern[:, 6, queries, queries - back].cpu())

    loss = model.run_with_hooks(
        rows.to(cfg.device),
        fwd_hooks=[("blocks.18.attn.hook_pattern", keep)],
        return_type="loss",
        loss_per_token=True,
    )
    return loss[:, 26:40].cpu(), attention[0]


def band(values: torch.Tensor) -> torch.Tensor:
    """Mean and 95% interval over rows, [3, 14]."""
    error = 1.96 * values.std(0) / len(values) ** 0.5
    return torch.stack([values.mean(0), values.mean(0) - error, values.mean(0) + error])


slow, slow_attention = after_the_repeat(front[:, :41], back=24)
quick, quick_attention = after_the_repeat(middle, back=14)
outcome(
    "11.lag", "much faster" if quick[:, 2].mean() < slow[:, 2].mean() - 2 else "as slowly as before"
)
plots.curves(
    {
        ("loss (nats)", " "): {
            "repeat from the 1st token": band(slow),
            "repeat from the 11th token": band(quick),
        },
        ("attention", " "): {
            "repeat from the 1st token": band(slow_attention),
            "repeat from the 11th token": band(quick_attention),
        },
    },
    at=range(2, 16),
    title="How fast does the loss fall, and L18H6's attention rise?",
    x="token of the repeat that is predicted",
)

# %% [markdown]
# When the repeat starts at the eleventh token, L18H6 finds the match at once: its attention is **0.7** at the first
# chance, where it was close to zero before. At the repeat's fourth token the loss is several nats lower than before. So most of the delay belongs to the
# start of the row, and the growing match explains little of it. What is left is a delay of two tokens.
#
# The first figure invited the first explanation, and it would have been wrong. How many rows does it take to see this? At its steepest the loss differs
# between rows by some 4 nats (standard deviation). With 4 rows the standard error of a mean is 2 nats. It takes some 60 rows to bring it down to half a nat.

# %% tags=["numbers"]
claim(
    "attention at the first chance, 11th token", quick_attention[:, 0].mean(), text=0.7, within=0.1
)
gap = slow[:, 2] - quick[:, 2]  # paired: both from the same first half
assert gap.mean() > 2 and gap.mean() > 3 * gap.std() / N**0.5
assert slow_attention[:, 0].mean() < 0.15
assert 3 < slow[:, 2:6].std(0).mean() < 5

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
