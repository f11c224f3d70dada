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
# # 5.5 · Grokking, and two ways to add
#
# [![Open lesson 5.5 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/55_grokking.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.4 · A picture in context, its null, and what is left](54_in_context_geometry.ipynb) | **Next:** [5.6 · Planted behaviours, audited blind](56_planted_behaviours.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/54_in_context_geometry.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/56_planted_behaviours.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. train a network that generalises long after it has memorised;
# 2. find the waves by which it adds, test them by ablation, and audit a published progress measure;
# 3. tell two algorithms for one task apart with two measures, and say what the measures give where there is no algorithm.
#
# **Time** 75 minutes for the core, and 12 minutes for *Going deeper*. **Needs** lessons 1.4: patching; 2.1: controls.
# **Runs** in about a minute on a laptop's processor.
#
# **First, play.** A small network reads two numbers, and is asked for their sum modulo 59. It is trained on 40% of all pairs. The slider below goes through its training. On the left: which sums does it get right, among the pairs that it was trained on and among new ones? On the right: where do its embeddings put the 59 numbers, in a plane that belongs to one frequency? Change `FREQUENCY`. Which frequencies end in a clean ring?

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
import copy
import json
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn

from utils import plots
from utils.cases import modular
from utils.cases.modular import (
    Adder,
    accuracy,
    all_pairs,
    load_adder,
    logit_table,
    split_pairs,
    sum_loss,
    table_from,
    without_waves,
)
from utils.checks import lesson_55
from utils.checks.predict import outcome, predict
from utils.circuits.figures import diagram
from utils.lesson import claim
from utils.reading.figures import slider

adders, P = root / "data" / "grokking", 59


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def load(name: str) -> Adder:
    """One of the networks in `data/grokking`."""
    return load_adder(adders / f"{name}.safetensors")


FREQUENCY = 1  # change me: 1 to 29

train = load_file(adders / "split.safetensors")["train"].long()  # what it was trained on
known = torch.zeros(P, P).bool()
known[train[:, 0], train[:, 1]] = True
new = (~known).nonzero()
STEPS = [0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000]
history = [load(f"decay/step_{step:05}") for step in STEPS]


def draw(i: int):
    """The network after `STEPS[i]` steps."""
    title = "Which sums are right, and where are the numbers?"
    return modular.state_of(history[i], train, frequency=FREQUENCY, title=title)


slider(draw, n=len(STEPS), label="step", names=STEPS, at=len(STEPS) - 1)

# %% [markdown]
# Be careful with the picture on the right. At step 0 there is a rough ring too, in any frequency: the plane is chosen to show one, and 64 dimensions leave much to choose from for 59 numbers. Section 2 measures instead.
#
# ## 1. Grokking
#
# Power and colleagues (2022) saw networks that know all their training pairs, and almost none of the others, for thousands of steps; and then generalise. They called it **grokking**. You will write the training loop and see it happen on sums modulo 31.
#
# The network `Adder` is a transformer of one block without norms. It has `model(pairs)`, which gives the logits of the answers. `sum_loss(logits, pairs)` and `accuracy(logits, pairs)` are given.
#
# ### Exercise 1 · a training loop (10 minutes, medium)


# %% tags=["exercise:utils.cases.modular.train_adder"]
def train_adder(
    model: nn.Module,
    train: Int[Tensor, "train 2"],
    held_out: Int[Tensor, "held_out 2"],
    *,
    steps: int,
    lr: float,
    weight_decay: float,
    every: int,
) -> tuple[nn.Module, dict[str, list[float]]]:
    """Train a copy of a network, and write down how it does. The network itself stays as it was.

    So many steps of AdamW with betas 0.9 and 0.98, each on the `sum_loss` of all of `train`.

    Returns:
        The trained copy, and columns over what was measured after 0, every, 2 * every, ...
        steps, up to `steps`: `step`; the `accuracy` on both sets of pairs, `train` and
        `held_out`; the `sum_loss` on both, `train_loss` and `held_out_loss`.

    Source: Nanda et al. (arXiv 2301.05217).
    """
    ### BEGIN SOLUTION
    model = copy.deepcopy(model)
    weights = model.parameters()
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.98))
    log = {"step": [], "train": [], "held_out": [], "train_loss": [], "held_out_loss": []}
    for step in range(steps + 1):
        if step % every == 0:
            log["step"].append(step)
            with torch.no_grad():
                for name, pairs in (("train", train), ("held_out", held_out)):
                    logits = model(pairs)
                    log[name].append(accuracy(logits, pairs))
                    log[f"{name}_loss"].append(sum_loss(logits, pairs).item())
        if step < steps:
            optimizer.zero_grad()
            sum_loss(model(train), train).backward()
            optimizer.step()
    return model, log
    ### END SOLUTION


# %% tags=["check"]
train_adder = lesson_55.check_train_adder(train_adder)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `copy.deepcopy(model)` is a network of its own, with its own weights: give *its* parameters to `torch.optim.AdamW`. Measure before the step is taken, under `torch.no_grad()`. After the last step one more row may be due, so let the loop run over `range(steps + 1)` and take no step in its last round.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A step is `optimizer.zero_grad()`, `sum_loss(model(train), train).backward()`, `optimizer.step()`. The held-out pairs are measured and never trained on. Turn losses into numbers by `.item()`.
#
# </details>

# %% [markdown]
# Now twice from one start, on the same pairs: with **weight decay** 2, which shrinks all weights a little at each step, and without.

# %%
predict(
    "55.decay",
    "Without weight decay, what share of the held-out sums modulo 31 is right after 1,000 steps?",
    choices=["under a quarter", "a quarter to three quarters", "over three quarters"],
)

# %%
small_train, small_new = split_pairs(31, 0.6, generator=seeded(0))
start = Adder(31, d_model=48, d_mlp=128, generator=seeded(1))
how = {"steps": 1000, "lr": 2e-3, "every": 50}
runs = {
    name: train_adder(start, small_train, small_new, weight_decay=decay, **how)[1]
    for name, decay in {"weight decay": 2.0, "no weight decay": 0.0}.items()
}
last = {name: log["held_out"][-1] for name, log in runs.items()}
without = last["no weight decay"]
outcome(
    "55.decay",
    "under a quarter"
    if without < 0.25
    else "a quarter to three quarters"
    if without < 0.75
    else "over three quarters",
)
plots.lines(
    {
        f"{name}: {kind}": runs[name][column]
        for name in runs
        for kind, column in {"trained pairs": "train", "held out": "held_out"}.items()
    },
    at=runs["weight decay"]["step"],
    title="Sums modulo 31: when is which pair right?",
    x="training step",
    y="share right",
)

# %% [markdown]
# Both know the pairs that they were trained on within 150 steps. With weight decay, the held-out pairs follow several hundred steps later. Without it most do not follow (from other starts up to a third did in as many steps). At step 150 the trained pairs cannot tell the two networks apart: only held-out pairs can.
#
# The shipped networks add modulo 59, from two starts that are also the same: weight decay 1 or none, 4,000 steps. Their logs:

# %%
logs = json.loads((adders / "log.json").read_text())
seeds = json.loads((adders / "seeds.json").read_text())
plots.lines(
    {
        "weight decay: trained pairs": logs["decay"]["train"],
        "weight decay: held out": logs["decay"]["held_out"],
        "no weight decay: held out": logs["no_decay"]["held_out"],
    },
    at=logs["decay"]["step"],
    title="Sums modulo 59: the same at another size",
    x="training step",
    y="share right",
)

# %% [markdown]
# Here the network has memorised by step 100 and is right on 90% of the held-out pairs only from step 3,500. Two other seeds got there at step 1,250 (`data/grokking/README.md`). The *when* is a matter of seeds and settings. In these runs decay decides the *whether*; so does the number of pairs (with 30% of them a network with decay knew 6% of the others after 6,000 steps), and others report grokking without decay.

# %% tags=["numbers"]
assert last["weight decay"] > 0.8 and without < 0.4
for log in runs.values():
    assert min(log["train"][3:]) > 0.98
assert runs["weight decay"]["held_out"][3] < 0.6
assert [seeds["decay"][s]["step_grokked"] for s in "012"] == [3500, 1250, 1250]
assert seeds["decay"]["0"]["step_learned"] == 100
assert all(seeds["decay"][s]["held_out"] > 0.99 for s in "012")
assert all(seeds["no_decay"][s]["held_out"] < 0.25 for s in "012")

# %% [markdown]
# ## 2. By which waves?
#
# What did it find? Nanda and colleagues (arXiv 2301.05217) took such a network apart. It puts each number x on circles, as `cos(2 pi k x / p)` and `sin(2 pi k x / p)`, for some **frequencies** k. On a circle, adding is turning: the network forms `cos(2 pi k (a + b) / p)` from the waves of a and b, and the logit of the answer c is highest where the two hands meet. There are 29 frequencies modulo 59.
#
# ### Exercise 2 · Fourier power (8 minutes, medium)


# %% tags=["exercise:utils.cases.modular.fourier_power"]
def fourier_power(vectors: Float[Tensor, "p d_model"]) -> Float[Tensor, " frequency"]:
    """How much of the numbers' vectors is waves of each frequency k = 1, 2, ... (p - 1) / 2.

    Each coordinate, as a function of the number x, is a constant and a sum of the waves
    cos(2 pi k x / p) and sin(2 pi k x / p). The power of a frequency is the sum over coordinates
    of the squares of the parts along its two waves, each wave scaled to length 1. The constant
    does not count.

    Returns:
        Shares, which add up to 1. p is odd.
    """
    ### BEGIN SOLUTION
    p = len(vectors)
    x = torch.arange(p)
    power = []
    for k in range(1, (p - 1) // 2 + 1):
        turn = 2 * torch.pi * k * x / p
        waves = torch.stack([turn.cos(), turn.sin()]).to(vectors)
        waves = waves / waves.norm(dim=1, keepdim=True)
        power.append((waves @ vectors).square().sum())
    power = torch.stack(power)
    return power / power.sum()
    ### END SOLUTION


# %% tags=["check"]
fourier_power = lesson_55.check_fourier_power(fourier_power)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For one k: `turn = 2 * torch.pi * k * torch.arange(p) / p` has an angle for each number. The waves are `turn.cos()` and `turn.sin()`; divide each by its norm.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `waves @ vectors`, for waves of shape [2, p], has the parts of all coordinates along both waves: square them, and add up. Collect that for k from 1 to `(p - 1) // 2`, and divide by the sum.
#
# </details>

# %% [markdown]
# An even spread would give each frequency a share of `1/29`. We call a frequency a **key frequency** if it has more than twice that.

# %%
predict(
    "55.frequencies",
    "How many of the 29 frequencies are key frequencies of the network that generalised?",
)

# %%
grokked, memorised = history[-1], load("no_decay/step_04000")


def keys_of(model: Adder) -> list[int]:
    """The key frequencies of the embeddings, the strongest first."""
    power = fourier_power(model.W_E.detach())
    return [int(k) + 1 for k in power.argsort(descending=True) if power[k] > 2 / len(power)]


keys = keys_of(grokked)
outcome("55.frequencies", len(keys), factor=1.5)
plots.lines(
    {
        "weight decay, step 4,000": fourier_power(grokked.W_E.detach()).tolist(),
        "the same at step 0": fourier_power(history[0].W_E.detach()).tolist(),
        "no weight decay, step 4,000": fourier_power(memorised.W_E.detach()).tolist(),
    },
    at=range(1, 30),
    title="How much of the embeddings is each wave?",
    x="frequency",
    y="share of the power",
    chance=1 / 29,
)

# %% [markdown]
# Four frequencies hold **76**% of the power: 1, 10, 15 and 27. The network that memorised has no such peaks, and neither has one that never trained: the peaks are no habit of the measure. Other seeds have other frequencies; one of the two other memorised networks has a single peak, 21, which its sister with decay uses.
#
# A share of the power is not yet a use. So take waves out of the embeddings, and look at the sums. The control takes out as many random frequencies that are not key ones.

# %%
others = [k for k in range(1, 30) if k not in keys]
draws = [
    [others[i] for i in torch.randperm(len(others), generator=seeded(i))[: len(keys)]]
    for i in range(5)
]


by_power = (fourier_power(grokked.W_E.detach()).argsort(descending=True) + 1).tolist()


def right_without(model: Adder, frequencies: Sequence[int]) -> float:
    """The share of held-out sums that are right without these waves in the embeddings."""
    vectors = without_waves(model.W_E.detach(), frequencies)
    table = table_from(model, vectors, vectors)
    return accuracy(table[new[:, 0], new[:, 1]], new)


ablated = {
    "nothing": [right_without(grokked, [])],
    "the key frequencies": [right_without(grokked, keys)],
    "as many random others": [right_without(grokked, draw) for draw in draws],
    "the four strongest others": [
        right_without(grokked, [k for k in by_power if k not in keys][: len(keys)])
    ],
    "all but the key frequencies": [right_without(grokked, others)],
}
plots.table(
    [(what, "; ".join(f"{x:.2f}" for x in found)) for what, found in ablated.items()],
    columns=["taken out of the embeddings", "held-out sums that are right"],
)

# %% [markdown]
# Without its four key frequencies the network is right on **4**% of the held-out sums, where guessing gives `1/59`, or 2%. Without four others it stays at 98% or more; even the four strongest others hold little power, so this control is a mild one. And with nothing but the four left in the embeddings it still has **97**%. So it needs these waves, and hardly needs others.

# %% tags=["numbers"]
assert keys == [1, 10, 15, 27] and not keys_of(memorised) and not keys_of(history[0])
power = fourier_power(grokked.W_E.detach())
claim("power of the key frequencies", 100 * power[[k - 1 for k in keys]].sum(), text=76, within=2)
claim("right without the keys", 100 * ablated["the key frequencies"][0], text=4, within=0.5)
claim("keys alone", 100 * ablated["all but the key frequencies"][0], text=97, within=1)
assert min(ablated["as many random others"]) > 0.98
assert ablated["the four strongest others"][0] > 0.95
peaks = [
    {k for k, x in zip(at["frequencies"], at["power"], strict=True) if x > 2 / 29}
    for at in (seeds["no_decay"][seed] for seed in "12")
]
assert peaks == [{21}, set()] and 21 in seeds["decay"]["1"]["frequencies"][:3]

# %% [markdown]
# ## 3. Before it shows
#
# Does it all happen at step 3,000? Nanda and colleagues follow two losses through the training. Take the logits of all pairs, and split them: the part that is waves of the sum, `cos(2 pi k (a + b) / p)` and `sin(2 pi k (a + b) / p)` for the key frequencies k, and the rest.
#
# - **Restricted loss**: the loss of the waves of the sum alone (with the mean logit of each answer).
# - **Excluded loss**: the loss on the *training* pairs without these waves. A network that has memorised has no need of them.
#
# The key frequencies are those of the *last* step, as published: nobody could have computed these losses during the training.
#
# ### Exercise 3 · waves of the sum (10 minutes, medium)


# %% tags=["exercise:utils.cases.modular.sum_waves"]
def sum_waves(
    logits: Float[Tensor, "a b c"], frequencies: Sequence[int], *, at: Bool[Tensor, "a b"]
) -> Float[Tensor, "a b c"]:
    """The part of the logits that is waves of the sum a + b, of some frequencies.

    For each answer c, the logits at the pairs in `at` are fitted by least squares with a constant
    and, for each frequency k, cos(2 pi k (a + b) / p) and sin(2 pi k (a + b) / p).

    Returns:
        What the fitted waves give for all pairs, without the constant.

    Source: Nanda et al. (arXiv 2301.05217), who fit at all pairs.
    """
    ### BEGIN SOLUTION
    p = len(logits)
    total = torch.arange(p)[:, None] + torch.arange(p)
    turns = [2 * torch.pi * k * total / p for k in frequencies]
    waves = torch.stack([wave for turn in turns for wave in (turn.cos(), turn.sin())], dim=-1)
    waves = waves.to(logits)
    design = torch.cat([torch.ones_like(waves[..., :1]), waves], dim=-1)
    fitted = torch.linalg.lstsq(design[at], logits[at]).solution
    return waves @ fitted[1:]
    ### END SOLUTION


# %% tags=["check"]
sum_waves = lesson_55.check_sum_waves(sum_waves)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `total = torch.arange(p)[:, None] + torch.arange(p)` has a + b for each pair. Stack the waves, and in front of them a column of ones, as the last axis of one tensor `design` [a, b, column].
#
# </details>
# <details><summary>Hint 2</summary>
#
# `design[at]` and `logits[at]` have a row for each chosen pair, and `torch.linalg.lstsq(design[at], logits[at]).solution` a row for each column. Leave its first row out, and multiply the waves at *all* pairs with the others.
#
# </details>

# %%
everywhere = torch.ones(P, P).bool()


def restricted(logits: Tensor, frequencies: Sequence[int], at: Tensor) -> Tensor:
    """The waves of the sum alone, and the mean logit of each answer."""
    return sum_waves(logits, frequencies, at=at) + logits[at].mean(0)


def at_pairs(logits: Tensor, pairs: Tensor) -> Tensor:
    return logits[pairs[:, 0], pairs[:, 1]]


def losses(model: Adder) -> dict[str, float]:
    """The two losses, what they are compared with, and what random frequencies give."""
    logits = logit_table(model)
    kept = restricted(logits, keys, everywhere)
    excluded = logits - sum_waves(logits, keys, at=everywhere)
    control = logits - sum_waves(logits, draws[0], at=everywhere)
    return {
        "held-out loss": sum_loss(at_pairs(logits, new), new).item(),
        "restricted loss, held-out pairs": sum_loss(at_pairs(kept, new), new).item(),
        "excluded loss, trained pairs": sum_loss(at_pairs(excluded, train), train).item(),
        "training loss": sum_loss(at_pairs(logits, train), train).item(),
        "random frequencies excluded": sum_loss(at_pairs(control, train), train).item(),
    }


over_time = [losses(model) for model in history]
plots.lines(
    {name: [each[name] for each in over_time] for name in over_time[0]},
    at=STEPS,
    title="Which losses move before the held-out loss does?",
    x="training step",
    y="loss (nats)",
    log_y=True,
)

# %% [markdown]
# Look at step 2,000. The held-out loss is **16.5** nats (guessing gives ln 59 = `4.08`), and looks like pure memorising. But the waves of the sum alone have a loss of **0.51** on the same pairs. And without these waves the *training* loss is **0.33**, up from **0.016** at step 1,000, so the network had begun to use them for pairs it knows by heart. Taking out four random frequencies instead leaves it below a millionth or two.
#
# So generalisation does not come suddenly. Nanda and colleagues describe three phases: memorisation, formation of the circuit beside the memory, and *cleanup*, in which weight decay removes the memory. Only the last shows in the held-out loss.

# %% tags=["numbers"]
middle, early = over_time[STEPS.index(2000)], over_time[STEPS.index(1000)]
claim("held-out loss", middle["held-out loss"], text=16.5, within=0.5)
claim("restricted", middle["restricted loss, held-out pairs"], text=0.51, within=0.03)
claim("excluded", middle["excluded loss, trained pairs"], text=0.33, within=0.03)
claim("excluded, early", early["excluded loss, trained pairs"], text=0.016, within=0.002)
assert middle["random frequencies excluded"] < 2e-6 and middle["training loss"] < 1e-6
assert all(
    later["restricted loss, held-out pairs"] < earlier["restricted loss, held-out pairs"]
    for earlier, later in pairwise(over_time)
)

# %% [markdown]
# That is the published figure. Now the audit: what would the restricted loss say of a network that has memorised, and nothing else?

# %%
predict(
    "55.leak",
    "The network without decay: keep only the waves of the sum, for its own four strongest "
    "frequencies. How many held-out sums are right, compared with the whole network?",
    choices=["fewer", "about as many", "at least twice as many"],
)


# %%
def strongest(model: Adder, n: int) -> list[int]:
    return (fourier_power(model.W_E.detach()).argsort(descending=True)[:n] + 1).tolist()


lone = new[~known[new[:, 1], new[:, 0]]]  # held-out pairs whose mirror is held out, too
is_lone = torch.zeros(P, P).bool()
is_lone[lone[:, 0], lone[:, 1]] = True


def kept_right(logits: Tensor, frequencies: Sequence[int]) -> list[float]:
    """Held-out sums that are right: all logits, waves fitted at all pairs, at held-out ones.

    And the same of lone pairs: by all logits, and by waves fitted at lone pairs.
    """
    by_all, by_new, by_lone = (
        restricted(logits, frequencies, at) for at in (everywhere, ~known, is_lone)
    )
    right = [accuracy(at_pairs(each, new), new) for each in (logits, by_all, by_new)]
    return right + [accuracy(at_pairs(each, lone), lone) for each in (logits, by_lone)]


lookup = torch.zeros(P, P, P)  # knows the trained pairs by heart, and says nothing of others
lookup[train[:, 0], train[:, 1], train.sum(1) % P] = 10
mirrored = torch.maximum(lookup, lookup.transpose(0, 1))  # knows that a + b is b + a, too
audit = {
    "no weight decay, step 4,000": kept_right(logit_table(memorised), strongest(memorised, 4)),
    "a lookup table of the trained pairs": kept_right(lookup, keys),
    "the table, and a + b = b + a": kept_right(mirrored, keys),
} | {
    f"weight decay, step {step:,}": kept_right(logit_table(history[STEPS.index(step)]), keys)
    for step in (1000, 1500, 2000, 2500, 4000)
}
at_1000, at_2000 = audit["weight decay, step 1,000"], audit["weight decay, step 2,000"]
random_waves = [kept_right(logit_table(history[STEPS.index(2000)]), draw)[4] for draw in draws]
whole, by_all, *_ = audit["no weight decay, step 4,000"]
outcome(
    "55.leak",
    "fewer"
    if by_all < 0.7 * whole
    else "about as many"
    if by_all < 2 * whole
    else "at least twice as many",
)
plots.table(
    [(name, *(f"{x:.2f}" for x in found)) for name, found in audit.items()],
    columns=[
        "held-out sums that are right",
        "all logits",
        "waves, fitted at all pairs",
        "waves, fitted at held-out pairs",
        "lone pairs: all logits",
        "lone pairs: waves, fitted at them",
    ],
)

# %% [markdown]
# The restricted loss leaks. All pairs of one sum, such as 20, share one place on the wave: fitting averages over these 59 pairs. About 24 of them are training pairs, whose logits say the right answer, *because it was learned by heart*. The average passes that on to the others. A lookup table, which has never generalised to anything, gets **94**% of the held-out sums right once it is "restricted"; and the network that memorised goes from **5**% to **14**%.
#
# A repair that looks safe: fit at held-out pairs only. The table falls to guessing (it has to, since it says nothing there). But it is not safe. For 4 in 10 held-out pairs (a, b), the *mirror* (b, a) was trained on. A table that knows the trained pairs and that a + b is b + a, and nothing of sums, gets **79%** by this fit. So fit and score at **lone** pairs, those whose mirror is held out, too. (The last two columns.)
#
# Now the early success is gone: at step 1,000 the waves give **7%** of the lone pairs, little more than guessing. What the network knew of held-out pairs was the mirrors. At step 2,000 the waves give **46%**, while the network as a whole gets about 1%; four random frequencies give next to nothing. So the published conclusion stands, later and weaker than by the leaky measure: the circuit is there well over a thousand steps before it shows.

# %% tags=["numbers"]
claim("lookup", 100 * audit["a lookup table of the trained pairs"][1], text=94, within=2)
claim("memorised", 100 * whole, text=5, within=0.5)
claim("memorised, restricted", 100 * by_all, text=14, within=2)
claim("the mirrored table", 100 * audit["the table, and a + b = b + a"][2], text=79, within=5)
claim("lone pairs, step 1,000", 100 * at_1000[4], text=7, within=1)
claim("lone pairs, step 2,000", 100 * at_2000[4], text=46, within=4)
assert at_1000[3] < 0.02 and at_2000[3] < 0.03 and max(random_waves) < 0.05
assert 0.35 < 1 - len(lone) / len(new) < 0.45
assert audit["a lookup table of the trained pairs"][2] < 0.03
assert audit["the table, and a + b = b + a"][4] < 0.03

# %% [markdown]
# ## 4. Two ways to add
#
# A circle can be read in more than one way. Zhong and colleagues (arXiv 2306.17844) trained many such networks and found two algorithms.
#
# - The **clock** multiplies: `cos(wa) cos(wb) - sin(wa) sin(wb)` is `cos(w(a + b))`, for w = 2 pi k / p. Attention can multiply.
# - The **pizza** only adds. The sum of the two points on the circle points the way of (a + b) / 2, and its length is `2 |cos(w(a - b) / 2)|`. The MLP reads the direction off, as one finds a slice of a pizza. Where a and b lie opposite, the sum is almost nothing: such pairs are hard for this frequency, and other frequencies must help out.
#
# Their switch is the **attention rate**. At 1 attention works as usual. At 0 both numbers are always weighted alike, and cannot be multiplied.

# %%
diagram(
    {
        "number a<br>on circles": (0, 1),
        "number b<br>on circles": (0, 0),
        "clock: attention<br>multiplies": (2, 1),
        "pizza: attention<br>adds alone": (2, 0),
        "cos w(a + b), as long<br>for every pair": (4.2, 1),
        "direction of (a + b) / 2, of<br>length |cos(w(a - b) / 2)|": (4.2, 0),
        "logit of c": (6.4, 0.5),
    },
    [
        ("number a<br>on circles", "clock: attention<br>multiplies"),
        ("number b<br>on circles", "clock: attention<br>multiplies"),
        ("number a<br>on circles", "pizza: attention<br>adds alone"),
        ("number b<br>on circles", "pizza: attention<br>adds alone"),
        ("clock: attention<br>multiplies", "cos w(a + b), as long<br>for every pair"),
        (
            "pizza: attention<br>adds alone",
            "direction of (a + b) / 2, of<br>length |cos(w(a - b) / 2)|",
        ),
        ("cos w(a + b), as long<br>for every pair", "logit of c"),
        ("direction of (a + b) / 2, of<br>length |cos(w(a - b) / 2)|", "logit of c"),
    ],
    title="One task, two algorithms",
    marked=["direction of (a + b) / 2, of<br>length |cos(w(a - b) / 2)|"],
)

# %% [markdown]
# The two differ in what can be measured from outside. In a pizza the answer sees the *sum* of the two embeddings, so a small change of a's embedding does the same as that change of b's. In a clock, the gradient for a depends on where b is. And in a pizza the right answer's logit depends on the distance a - b.
#
# ### Exercise 4 · gradient symmetricity (8 minutes, medium)


# %% tags=["exercise:utils.cases.modular.gradient_symmetricity"]
def gradient_symmetricity(
    model: nn.Module, triples: Int[Tensor, "triple 3"]
) -> Float[Tensor, " triple"]:
    """How alike an answer's logit depends on the two numbers: 1 where it sees their sum alone.

    For each (a, b, c), the cosine between two gradients of the logit of c, where the numbers are a
    and b: the one with respect to a's embedding, and the one with respect to b's. `model.embed`
    gives the embeddings of pairs, and `model.from_embeddings` the logits from them.

    Source: Zhong et al. (arXiv 2306.17844), who take the mean over 100 random triples.
    """
    ### BEGIN SOLUTION
    x = model.embed(triples[:, :2]).detach().requires_grad_()
    with torch.enable_grad():
        logits = model.from_embeddings(x)
        chosen = logits[torch.arange(len(triples)), triples[:, 2]].sum()
    (slope,) = torch.autograd.grad(chosen, x)
    return F.cosine_similarity(slope[:, 0], slope[:, 1], dim=-1)
    ### END SOLUTION


# %% tags=["check"]
gradient_symmetricity = lesson_55.check_gradient_symmetricity(gradient_symmetricity)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The embeddings of all pairs, [triple, 2, d_model], are `model.embed(triples[:, :2])`. Detach them, and let them require a gradient. Each triple has its own answer: `logits[torch.arange(n), triples[:, 2]]`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A logit depends on the embeddings of its own pair alone, so one `torch.autograd.grad` of the *sum* of the chosen logits gives all gradients at once, in the shape of the embeddings. Compare `[:, 0]` with `[:, 1]`.
#
# </details>

# %% [markdown]
# ### Exercise 5 · distance irrelevance (7 minutes, medium)


# %% tags=["exercise:utils.cases.modular.distance_irrelevance"]
def distance_irrelevance(logits: Float[Tensor, "a b c"]) -> float:
    """How little the logit of the right answer depends on the distance (a - b) mod p.

    Take the right answer's logit of every pair. The standard deviation over the p pairs of one
    distance, averaged over the distances, is divided by the standard deviation over all pairs.
    Near 0: the distance decides. Near 1: it does not matter.

    Source: Zhong et al. (arXiv 2306.17844). Standard deviations divide by n, and not n - 1.
    """
    ### BEGIN SOLUTION
    p = len(logits)
    a, b = torch.arange(p)[:, None], torch.arange(p)
    right = logits.gather(2, ((a + b) % p)[..., None])[..., 0]
    distance = (a - b) % p
    within = [right[distance == d].std(correction=0) for d in range(p)]
    return (torch.stack(within).mean() / right.std(correction=0)).item()
    ### END SOLUTION


# %% tags=["check"]
distance_irrelevance = lesson_55.check_distance_irrelevance(distance_irrelevance)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The right answer's logits, [a, b]: `logits.gather(2, answers[..., None])[..., 0]`, with `answers` = (a + b) mod p for each pair. The distances, [a, b], are (a - b) mod p.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `right[distance == d].std(correction=0)` for each d, then their mean, divided by `right.std(correction=0)`.
#
# </details>

# %% [markdown]
# Six networks, three with the switch at 1 and three at 0, trained alike on 80% of the pairs as published. Two controls have no algorithm at all: networks before their training, one for each setting of the switch.

# %%
predict(
    "55.untrained",
    "An untrained network with the switch at 0: its gradient symmetricity?",
    choices=["about 0", "about a half or more, under 0.9", "above 0.9, as a trained pizza's"],
)

# %%
triples = torch.randint(P, (1000, 3), generator=seeded(5))


def both_measures(model: Adder) -> tuple[float, float]:
    symmetricity = gradient_symmetricity(model, triples).mean().item()
    return symmetricity, distance_irrelevance(logit_table(model))


measured = {
    f"{kind}s": torch.tensor([both_measures(load(f"{kind}_{seed}")) for seed in range(3)])
    for kind in ("clock", "pizza")
}
for rate in (1, 0):
    fresh = [Adder(P, attention=rate, generator=seeded(seed)) for seed in range(3)]
    rows = torch.tensor([both_measures(model) for model in fresh])
    measured[f"untrained, switch at {rate}"] = rows
measured["memorised, switch at 1"] = torch.tensor([both_measures(memorised)])
measured["the network of sections 1 to 3"] = torch.tensor([both_measures(grokked)])
before = measured["untrained, switch at 0"][:, 0].mean()
outcome(
    "55.untrained",
    "about 0"
    if before < 0.25
    else "about a half or more, under 0.9"
    if before < 0.9
    else "above 0.9, as a trained pizza's",
)
names = ["gradient symmetricity", "distance irrelevance"]
plots.intervals(
    {name: {} for name in names},
    dots={
        name: {kind: rows[:, i].tolist() for kind, rows in measured.items()}
        for i, name in enumerate(names)
    },
    title="A dot a network: which measure tells clocks and pizzas apart?",
    alike=names,
)

# %% [markdown]
# In the six networks gradient symmetricity tells the switch's two settings apart: above **0.99** at 0, and from **0.30** to **0.68** at 1. But the network of sections 1 to 3, with the switch at 1 and other settings, has **0.82**. That range is as wide as the published one: with attention, a network may be more or less of a clock, and mix. Distance irrelevance does less well: one network with attention lies nearer to the pizzas than to its sisters.
#
# Now the controls. Before any training the switch at 0 gives **0.70** already: such a network adds the two numbers by construction, and only b's own path through the residual stream tells them apart. That is less than the trained network with attention has. So part of a pizza's symmetricity is the architecture's. With the switch at 1, an untrained network has **0.44** and the memorised one **0.51**, in the middle of the clocks. A low symmetricity is no sign of a clock by itself. And a distance irrelevance near 1, the published sign of a clock, is also what a network has that knows nothing of sums.
#
# So the measures answer "clock or pizza?" for a network of which we know by other means that it adds by waves. They do not answer "does it add by waves?".

# %% tags=["numbers"]
clocks, pizzas = measured["clocks"], measured["pizzas"]
claim("pizzas", pizzas[:, 0].min(), text=0.99, within=0.01)
claim("clocks, lowest", clocks[:, 0].min(), text=0.30, within=0.03)
claim("clocks, highest", clocks[:, 0].max(), text=0.68, within=0.03)
claim("untrained, switch at 0", before, text=0.70, within=0.03)
ours = measured["the network of sections 1 to 3"][0, 0]
claim("the network of sections 1 to 3", ours, text=0.82, within=0.04)
assert ours > before
at_1 = measured["untrained, switch at 1"][:, 0]
claim("untrained, switch at 1", at_1.mean(), text=0.44, within=0.03)
claim("memorised", measured["memorised, switch at 1"][0, 0], text=0.51, within=0.03)
low, others_of = clocks[:, 1].min(), clocks[:, 1].sort().values[1:]
assert low > pizzas[:, 1].max() and low - pizzas[:, 1].max() < others_of.min() - low
assert all(rows[:, 1].min() > 0.98 for name, rows in measured.items() if "switch" in name)

# %% [markdown]
# ## 5. Over to you
#
# An unknown network, trained as the clocks were, with another seed. Which frequencies does it need? `ask(frequencies)` gives the loss on all pairs, in nats, without these waves in the embeddings. We call a frequency needed if the loss is above `0.001` when that one alone is missing. You have 24 calls for 29 frequencies, besides the one below.
#
# ### Investigation · which frequencies? (8 minutes, medium)

# %%
unknown, left = load("unknown"), [25]


def ask(frequencies: Sequence[int]) -> float | None:
    """The loss without these frequencies, each from 1 to 29, in the embeddings."""
    if not left[0]:
        print("The budget is spent: decide.")
        return None
    left[0] -= 1
    vectors = without_waves(unknown.W_E.detach(), frequencies)
    logits = table_from(unknown, vectors, vectors)
    return round(sum_loss(logits.flatten(0, 1), all_pairs(P)).item(), 4)


print("nothing taken out:", ask([]))


# %% tags=["solution-only"]
def search(group: list[int]) -> set[int]:
    """The needed frequencies of a group, by halving."""
    if ask(group) < 0.001:
        return set()
    if len(group) == 1:
        return set(group)
    half = len(group) // 2
    return search(group[:half]) | search(group[half:])


in_groups = set().union(*(search(list(range(i, min(i + 5, 30)))) for i in range(1, 30, 5)))
print(in_groups, "with", left[0], "calls left")

# %% tags=["answer:needed"]
### BEGIN SOLUTION
needed = {1, 3, 7, 26}
### END SOLUTION

# %% tags=["check"]
needed = lesson_55.check_needed(needed)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Take several frequencies out at once: a group whose removal changes nothing holds no frequency that is needed, and all of it is settled by one call.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Ask for groups of five first. Split a group that matters in two, and each half that matters again. A small loss is a loss.
#
# </details>

# %% tags=["numbers"]
alone = {}
for k in range(1, 30):
    left[0] = 1
    alone[k] = ask([k])
assert in_groups == needed == {k for k in alone if alone[k] > 0.001}
assert 7 not in keys_of(unknown)

# %% [markdown]
# Now compare with `keys_of(unknown)`. One frequency that the loss needs is below our threshold of power: what is held and what is used are two questions. (Without that one, all sums stay right; the loss sees more than the sums do.)
#

# %% [markdown]
# ## Going deeper: turn the hand of the clock
#
# A number's place on a circle is a **feature with two dimensions**: no single direction holds it. Engels and colleagues (arXiv 2405.14860) found such circles of weekdays and months in language models, and changed answers by moving along them. Here the test can be complete. Turn the first number's hands on all key circles by 7 steps, leave the rest of its embedding as it is, and see whether the network answers a + 7 + b.


# %%
def turned(model: Adder, frequencies: Sequence[int], steps: int) -> Tensor:
    """The embeddings, with each number's waves of these frequencies those of `steps` further."""
    vectors = model.W_E.detach()
    waves = vectors - without_waves(vectors, frequencies)
    return vectors - waves + waves.roll(-steps, 0)


def right_after(model: Adder, first: Tensor, steps: int) -> float:
    """How often the answer is a + b + steps, with other embeddings of the first number."""
    answers = table_from(model, first, model.W_E.detach()).argmax(-1)
    a = torch.arange(P)
    return (answers == (a[:, None] + a + steps) % P).float().mean().item()


def on_one_direction(model: Adder, frequencies: Sequence[int]) -> Tensor:
    """The embeddings, with each circle of these frequencies projected onto its cosine."""
    vectors = model.W_E.detach()
    waves = vectors - without_waves(vectors, frequencies)
    mirrored = waves[(-torch.arange(P)) % P]  # the sine of -x is less that of x
    return vectors - waves + (waves + mirrored) / 2


clock = load("clock_0")
circles = keys_of(clock)
rest = [k for k in range(1, 30) if k not in circles]
few = [rest[i] for i in torch.randperm(len(rest), generator=seeded(0))[: len(circles)]]
hands = {
    "the key circles": turned(clock, circles, 7),
    "as many random circles": turned(clock, few, 7),
    "all other circles": turned(clock, rest, 7),
    "the key circles, the cosine alone kept": on_one_direction(clock, circles),
}
plots.table(
    [
        (name, *(f"{right_after(clock, first, steps):.2f}" for steps in (0, 7)))
        for name, first in hands.items()
    ],
    columns=["changed in the first number", "answers a + b", "answers a + b + 7"],
)

# %% [markdown]
# With its hands turned on the key circles, which hold a small part of the 64 dimensions, the network answers a + 7 + b for every pair. On random circles nothing changes, and even on all the other circles together the sums stay right. And where each circle is projected onto one direction, the cosine, the right sum is left in **12**% of the pairs. (Such embeddings are like none that the network knows, so a part of the damage may be that.) So no single direction of a circle is enough for the network.

# %% tags=["numbers"]
by = {name: [right_after(clock, first, steps) for steps in (0, 7)] for name, first in hands.items()}
assert by["the key circles"] == [0, 1] and by["as many random circles"] == [1, 0]
assert by["all other circles"] == [1, 0]
line = by["the key circles, the cosine alone kept"][0]
claim("one direction", 100 * line, text=12, within=1.5)

# %% [markdown]
# ## The results

# %% tags=["results"]
plots.table(
    [
        (
            "held-out sums modulo 59 that are right, end",
            ", ".join(f"{seeds['decay'][s]['held_out']:.2f}" for s in "012") + ", three seeds",
            ", ".join(f"{seeds['no_decay'][s]['held_out']:.2f}" for s in "012")
            + ", no weight decay",
            "groks with decay 1, at 30% of 113 x 113 pairs (Nanda et al.; from its code)",
        ),
        (
            "key frequencies",
            f"{len(keys)} of 29",
            "0: memorised (of three seeds: 0, 1, 0), and untrained",
            "5 of 56 (Nanda et al.; from summaries of it)",
        ),
        (
            "held-out sums right, step 1,000, waves of the sum alone",
            f"{at_1000[1]:.2f}; lone pairs {at_1000[4]:.2f}",
            f"lookup table with mirrors {audit['the table, and a + b = b + a'][1]:.2f}; lone pairs "
            f"{audit['the table, and a + b = b + a'][4]:.2f}",
            "restricted loss falls before the held-out loss; no such control",
        ),
        *(
            (
                f"{what}: clocks; pizzas",
                "; ".join(
                    ", ".join(f"{x:.2f}" for x in measured[kind][:, i].tolist())
                    for kind in ("clocks", "pizzas")
                ),
                "untrained, means: "
                + "; ".join(
                    f"{measured[f'untrained, switch at {k}'][:, i].mean():.2f}" for k in (1, 0)
                ),
                theirs,
            )
            for i, (what, theirs) in enumerate(
                {
                    "gradient symmetricity": "0.32; 0.99 (their models B and A, width 128, measured "
                    "by us); medians of their runs of width 49 to 80, switch above 0.8 and up to "
                    "0.2: 0.34; 0.99",
                    "distance irrelevance": "the same: 0.85; 0.17, and 0.75; 0.24",
                }.items()
            )
        ),
    ],
    columns=["", "ours (width 64)", "control", "published, with its model"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The key frequencies differ from seed to seed. What in this lesson would be the same for every seed, and what would you call *the* mechanism?
# 2. Restricted loss needs the key frequencies of the end. Which progress measure could be computed during the training?
# 3. A lookup table scores well on a measure of generalisation. Which other measures average over training data, or over data that training data give away?
# 4. Large language models add too. Which of the two measures could be taken there?
#
# ## Common mistakes
#
# - Stopping at a training loss of 0: whatever happens afterwards is not seen.
# - Drawing a circle by the directions that show it best, and taking the circle for a finding.
# - Fitting on pairs that the network was trained on, or on their mirrors, and calling the fit a sign of generalisation.
# - Reading one measure of an algorithm without its value for an untrained network.
# - Taking "the embeddings hold this wave" for "the answers need it".
#
# ## Where this breaks
#
# One task and one family of networks: a block without norms, of half the published width, on sums modulo 59 and 31. Settings were chosen so that grokking takes minutes (`data/grokking/README.md`), seeds were not. Our clocks and pizzas had an eighth of the published training. Waves were taken out of embeddings and logits, which leaves open what attention and MLP do between them. And language models add decimal numbers, not modular ones; what of this carries over is for other work to show.
#
# ## Further reading
#
# - Power et al. (2022), *Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets*, arXiv 2201.02177
# - Nanda et al. (2023), *Progress measures for grokking via mechanistic interpretability*, arXiv 2301.05217
# - Zhong et al. (2023), *The Clock and the Pizza*, arXiv 2306.17844; code, weights and tables: `fjzzq2002/pizza`
# - Engels et al. (2024), *Not All Language Model Features Are One-Dimensionally Linear*, arXiv 2405.14860
# - Kantamneni and Tegmark (2025), *Language Models Use Trigonometry to Do Addition*, arXiv 2502.00873
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.4 · A picture in context, its null, and what is left](54_in_context_geometry.ipynb) | **Next:** [5.6 · Planted behaviours, audited blind](56_planted_behaviours.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/54_in_context_geometry.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/56_planted_behaviours.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("55")
