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
# # 2.4 · Belief states
#
# [![Open lesson 2.4 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/24_belief_states.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.3 · World models: a board that the model was never shown](23_world_models.ipynb) | **Next:** [3.1 · Steering vectors, and what they cost](31_steering_vectors.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/23_world_models.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/31_steering_vectors.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. compute what an ideal observer believes about a hidden state, and find that belief in a transformer;
# 2. say which part of such a finding follows from good predictions alone, and which controls it needs;
# 3. exchange a belief inside a model, and measure which of its predictions follow.
#
# **Time** one hour for the core, and 40 minutes for *Going deeper*. **Needs** lessons 00 and 2.1: hooks, probes and their splits.
# **Runs** in about a minute on a laptop's processor.
#
# **First, play.** A machine with three hidden states, 0, 1 and 2, emits tokens A, B and C. You see the tokens only. In the box below, type some: `AAAA`, then `AAAAB`, then `AAAABB`. The path is what an ideal
# observer believes about the hidden state. A corner is certainty, the centre is ignorance. How many Bs undo four As? (The answer is below the picture.)

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
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.beliefs import make as recipe
from data.beliefs import task
from data.beliefs.task import next_token_probs, remembered, stationary
from utils import plots
from utils.checks import lesson_24
from utils.checks.predict import outcome, predict
from utils.circuits import figures as diagrams
from utils.lesson import claim
from utils.models import load
from utils.reading import beliefs as reading
from utils.reading import figures
from utils.reading.beliefs import (
    Reading,
    at_positions,
    belief_planes,
    equal_predictions,
    follows,
    hold_out,
    others_of,
    part_as_long,
    plane_directions,
    plane_part,
    token_pairs,
)
from utils.reading.linear import r_squared, ridge
from utils.reading.recordings import three_recordings

CORNERS = ["state 0", "state 1", "state 2"]
mess3 = task.mess3()


def with_untrained(process: str) -> dict:
    """The model that was trained on a process, and another one that was not."""
    new = recipe.new_model(recipe.Recipe(), n_tokens=len(task.PROCESSES[process]()), seed=1000)
    return {"trained": load(f"beliefs/{process}", device="cpu"), "untrained": new}


mess3_models = with_untrained("mess3")


def draw_belief(text: str):
    """The ideal observer's way through the triangle while it reads a text of A, B and C."""
    letters = [each for each in text.upper() if each in "ABC"][:16]
    if not letters:
        raise ValueError("Type up to 16 tokens: A, B or C.")
    tokens = torch.tensor([["ABC".index(each) for each in letters]])
    path = torch.cat([stationary(mess3)[None], task.beliefs(tokens, mess3)[0]])
    with torch.no_grad():
        model = mess3_models["trained"](tokens)[0, -1].softmax(-1)
    ideal = next_token_probs(path[-1], mess3)
    numbers = [", ".join(f"{float(p):.2f}" for p in each) for each in (ideal, model)]
    return figures.belief_path(
        {"belief": reading.simplex_xy(path)},
        ["start", *letters],
        title=f"Next token A, B, C: ideal observer {numbers[0]}; transformer {numbers[1]}",
        corners=CORNERS,
    )


figures.typed(draw_belief, text="AAAABB", label="tokens")

# %% [markdown]
# Two Bs: after one, state 0 is still the likelier (`0.57` against `0.40`); after two, state 1 is (`0.88`).
#
# Now take *all* sequences of ten tokens, `59,049`. On the left, each dot is the belief after one of them. The dots form a **fractal**: each third of the picture contains a bent copy of the whole.
#
# On the right is a transformer with three layers that was trained to predict the next token, and nothing else. A linear regression reads a belief from its residual stream. Each dot has the
# colour of its true belief in both panels. Half of the sequences were used to fit the regression; the other half is drawn.

# %%
every = torch.cartesian_prod(*[torch.arange(3)] * 10)
every_belief = task.beliefs(every, mess3)[:, -1]
drawn = hold_out(every, generator=torch.Generator().manual_seed(0))
clouds = {
    name: reading.read_out(recipe.residuals(each, every)["after block 2"], every_belief, drawn)
    for name, each in mess3_models.items()
}
figures.simplex(
    {
        "ideal observer": reading.simplex_xy(every_belief[drawn]),
        "read from a transformer": reading.simplex_xy(clouds["trained"].predicted),
    },
    every_belief[drawn],
    title="A regression finds the triangle and its first holes in the transformer",
    corners=CORNERS,
)

# %% [markdown]
# This is the finding of Shai and colleagues (2024, arXiv 2405.15943): *transformers represent belief states in their residual stream*. This lesson asks how good the evidence is, and whether
# the model *uses* the belief that we read.
#
# ## 1. The ideal observer
#
# The machine is a **hidden Markov process**. At each step it moves from its state `i` to a state `j` at random, and emits a token `a` that depends on `j`. Your machine is called *Mess3*. It stays in its state with probability `0.9`, and moves to each other state with `0.05`. On arrival
# in state 0 it emits A with probability `0.85` and each other token with `0.075`; states 1 and 2 favour B and C.
#
# One tensor holds it all: `T[a, i, j]` is the probability that, from state `i`, the process moves to `j` *and* emits token `a`. A **belief** is a probability for each state. The ideal observer updates it by Bayes' rule: weigh every way to be in state `j` now, then divide so that the sum is 1.
#
# ### Exercise 1 · the filter (8 minutes, medium)


# %% tags=["exercise:data.beliefs.task.beliefs"]
def beliefs(
    tokens: Int[Tensor, "batch pos"], T: Float[Tensor, "token state next"]
) -> Float[Tensor, "batch pos state"]:
    """What an ideal observer believes after each token; before the first it is `stationary(T)`.

    Args:
        T: `T[a, i, j]` is the probability to move from state i to j, and emit token a there.
    """
    ### BEGIN SOLUTION
    belief = stationary(T).expand(len(tokens), -1)
    found = []
    for token in tokens.T:
        joint = torch.einsum("bi,bij->bj", belief, T[token])
        belief = joint / joint.sum(-1, keepdim=True)
        found.append(belief)
    return torch.stack(found, dim=1)
    ### END SOLUTION


# %% tags=["check"]
beliefs = lesson_24.check_beliefs(beliefs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Start with `stationary(T)` for every sequence. The joint probability of the token and a new state `j` is a sum over old states `i`: belief in `i`, times `T[token, i, j]`. Divide by the sum over `j`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `for token in tokens.T:` goes through positions; `torch.einsum("bi,bij->bj", belief, T[token])` sums over `i`; `torch.stack(found, dim=1)` at the end.
#
# </details>

# %% [markdown]
# **The gate.** Before we look inside the transformer: does it predict well? The table gives its **excess**: its loss minus the ideal observer's, which is the lowest possible, in *millinats* (thousandths of a nat). The rivals are ideal observers who **forget**: they know the last `k` tokens only.

# %%
mess3_excess = reading.excess_by_observer(
    mess3, mess3_models, memories=(1, 3, 5), generator=torch.Generator().manual_seed(4006)
)
plots.table(
    [(name, f"{value:.2f}") for name, value in mess3_excess.items()],
    columns=["who predicts, after 16 tokens", "excess, in millinats"],
)

# %% [markdown]
# The transformer is nearly ideal. An observer who remembers only five tokens, and so has at most 243 different beliefs, is nearer still: `0.30` millinats against `0.53`.
#
# ## 2. Read the belief
#
# A **readout** is a regression from activations to beliefs, tested on sequences that it was not fitted on. Short sequences repeat, and the same tokens give the same activations. So `hold_out` splits by *different contexts*, as lesson 2.1 split by group.
#
# ### Exercise 2 · the readout (4 minutes, easy)


# %% tags=["exercise:utils.reading.beliefs.read_out"]
def read_out(
    x: Float[Tensor, "row d_model"],
    y: Float[Tensor, "row target"],
    held_out: Bool[Tensor, " row"],
) -> Reading:
    """Fit an affine map from `x` to `y` on the rows that are not held out, and test it on the rest.

    Use `ridge(x, y, penalty=1e-3)`, which returns the fitted map, a function of `x`.

    Returns:
        `Reading(predicted, r2)`: `y` as it is predicted for the held-out rows, in their order, and
        `r_squared(predicted, y)` there.
    """
    ### BEGIN SOLUTION
    fitted = ridge(x[~held_out], y[~held_out], penalty=1e-3)
    predicted = fitted(x[held_out])
    return Reading(predicted, r_squared(predicted, y[held_out]))
    ### END SOLUTION


# %% tags=["check"]
read_out = lesson_24.check_read_out(read_out)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Fit on the rows `~held_out`. The result is a function: call it on the rows that are held out.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `fitted = ridge(x[~held_out], y[~held_out], penalty=1e-3)`, then `fitted(x[held_out])`. The score is `r_squared`, what is predicted first.
#
# </details>

# %%
predict(
    "24.untrained",
    "What R2 does this readout reach on an untrained transformer, for Mess3?",
    choices=["below .5", ".5 to .8", "above .8"],
)


# %% tags=["folded"]
# A process: sequences drawn from it, the true beliefs at their ends, and what may tell them.
def study(process: str) -> dict:
    """Also R2 of each thing that may tell the belief, on held-out sequences."""
    T = task.PROCESSES[process]()
    tokens = task.sample_tokens(T, 12_000, length=16, generator=torch.Generator().manual_seed(24))
    held_out = hold_out(tokens, generator=torch.Generator().manual_seed(0))
    models = with_untrained(process)
    stream = {name: recipe.residuals(each, tokens) for name, each in models.items()}
    one_hot = torch.nn.functional.one_hot(tokens, len(T)).flatten(1).double()
    features = {
        "trained, before block 1": stream["trained"]["before block 1"],
        "trained, before block 2": stream["trained"]["before block 2"],
        "trained, after block 2": stream["trained"]["after block 2"],
        "trained, next-token probabilities": stream["trained"]["output"],
        "untrained, before block 1": stream["untrained"]["before block 1"],
        "untrained, after block 2": stream["untrained"]["after block 2"],
        "one-hots of the 16 tokens": one_hot,
        "the same, with products by twos": token_pairs(tokens, 16, n_tokens=len(T)),
    }
    features |= {f"ideal, last {k} tokens": remembered(tokens, k, T) for k in (1, 3, 6, 10, 14)}
    truth = beliefs(tokens, T)[:, -1]
    read = {name: read_out(x, truth, held_out) for name, x in features.items()}
    found = {"T": T, "tokens": tokens, "truth": truth, "read": read, "features": features}
    return models | found | {"held_out": held_out}


three = study("mess3")
untrained_r2 = max(each.r2 for name, each in three["read"].items() if "untrained" in name)
output_r2 = three["read"]["trained, next-token probabilities"].r2
outcome(
    "24.untrained",
    "below .5" if untrained_r2 < 0.5 else ".5 to .8" if untrained_r2 <= 0.8 else "above .8",
)

# %%
plots.table(
    [(name, f"{each.r2:.3f}") for name, each in three["read"].items()],
    columns=["belief of Mess3, read from", "R2"],
)

# %%
figures.simplex(
    {
        "ideal observer": reading.simplex_xy(every_belief[drawn]),
        "read from an untrained one": reading.simplex_xy(clouds["untrained"].predicted),
    },
    every_belief[drawn],
    title="The untrained transformer shows a triangle too",
    corners=CORNERS,
)

# %% [markdown]
# ("Before block 1" is the same place as "after block 0".) **Which control does an R2 of `0.95` need?** An untrained transformer reaches **0.946**: it mixes its tokens at random, and the tokens are enough for most of the belief. A regression on the tokens themselves reaches **0.97**, an observer of three tokens **0.99**. So an R2 of `0.95`
# alone is no evidence that anything was learned. The trained transformer's **0.999** is above all of these.
#
# **What prediction forces.** Now look at the row *next-token probabilities*: three numbers of the output read the belief as well as the stream does. They must. For Mess3, the ideal next-token probabilities are the belief times a 3 x 3 matrix:

# %%
print("P(token | state), a row for each state:")
print(mess3.sum(-1).T)
print("rank:", int(torch.linalg.matrix_rank(mess3.sum(-1))))

# %% [markdown]
# The matrix has full rank, so it can be inverted. **A model that predicts Mess3 well must contain the triangle, at the latest in its output.** (Not the whole fractal: the observer of five tokens predicts better, with 243 beliefs.) What prediction does not force is that the stream
# holds the belief *linearly after every block*, from block 0 on.
#
# To learn more, we need a process in which a good prediction does *not* fix the belief.

# %% tags=["numbers"]
claim("untrained, Mess3", untrained_r2, text=0.946, within=0.02)
claim("tokens, Mess3", three["read"]["one-hots of the 16 tokens"].r2, text=0.97, within=0.01)
claim("memory 3, Mess3", three["read"]["ideal, last 3 tokens"].r2, text=0.99, within=0.007)
claim("trained, Mess3", three["read"]["trained, after block 2"].r2, text=0.999, within=0.001)
assert abs(output_r2 - three["read"]["trained, after block 2"].r2) < 0.002
assert min(each.r2 for name, each in three["read"].items() if "trained, b" in name[:10]) > 0.995
assert three["read"]["ideal, last 6 tokens"].r2 > three["read"]["trained, after block 2"].r2
assert mess3_excess["last 5 tokens"] < mess3_excess["trained"] < 1
assert mess3_excess["untrained"] > 100 * mess3_excess["trained"]

# %% [markdown]
# ## 3. A clock whose next token says too little
#
# The **slow clock** has three states in a ring, 0 to 1 to 2 to 0, and two tokens. At each step it moves on with probability `0.97` and rests otherwise. Where it arrives, it emits a *tick* (token 1) with probability `0.7` in state 0, and with `0.3` in states 1 and 2. One token says little, so the past matters for long.

# %%
slow = task.slow_clock()
tick_given = slow.sum(-1)[1]
print("P(next token is a tick | state 0, 1, 2) =", [round(p, 3) for p in tick_given.tolist()])
for belief in ([0.7, 0.0, 0.3], [0.0, 0.678, 0.322]):
    tick = next_token_probs(torch.tensor(belief).double(), slow)[1]
    print(f"belief {belief}: P(tick next) = {tick:.3f}")

# %% [markdown]
# The token depends on the state *after* the move. From state 2 the clock most likely moves to 0 and ticks. From states 0 and 1 a tick is unlikely, and about equally so. So **the next-token prediction cannot tell 0 from 1**: the two beliefs above predict the same. Their difference matters later, because state 1 is one step nearer to the next tick. The prediction is one
# number, the belief is two. A model may forget one of the two as soon as the prediction is made.
#
# Does it? R2 over all sequences mixes both. So compare sequences *for which the model predicts the same*, and ask how much of the belief's variance **among these** the readout explains.
#
# ### Exercise 3 · R2 within bins of the prediction (6 minutes, medium)


# %% tags=["exercise:utils.reading.beliefs.r_squared_within"]
def r_squared_within(
    predicted: Float[Tensor, "row state"],
    truth: Float[Tensor, "row state"],
    next_token: Float[Tensor, " row"],
    *,
    n_bins: int,
) -> float:
    """How much of the belief is read *among rows that predict the same next token*.

    The rows, in the order of `next_token`, are cut into `n_bins` bins, as equal as
    `torch.tensor_split` cuts them.

    Args:
        predicted: the beliefs that are read.
        truth: the ideal observer's.
        next_token: the model's probability that the next token is a tick.

    Returns:
        1 minus a ratio: the squared errors of `predicted`, over the squared distances of `truth`
        from the mean of `truth` in its bin, each summed over all rows and states.
    """
    ### BEGIN SOLUTION
    wrong, left = 0.0, 0.0
    for rows in next_token.argsort().tensor_split(n_bins):
        right = truth[rows]
        wrong += (predicted[rows] - right).pow(2).sum()
        left += (right - right.mean(0)).pow(2).sum()
    return float(1 - wrong / left)
    ### END SOLUTION


# %% tags=["check"]
r_squared_within = lesson_24.check_r_squared_within(r_squared_within)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `next_token.argsort()` puts the rows in order, and `.tensor_split(n_bins)` cuts that order into bins. Add up two sums over all bins, and divide once at the end.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In a bin with row numbers `rows`: the errors are `(predicted[rows] - truth[rows]).pow(2).sum()`; what there is to explain is `(truth[rows] - truth[rows].mean(0)).pow(2).sum()`.
#
# </details>

# %%
predict(
    "24.forgotten",
    "How much of the belief is in the trained stream after the last block, among sequences that predict the same token?",
    choices=["about none: R2 within bins below .2", "a part: .2 to .8", "nearly all: above .8"],
)

# %%
clock = study("slow_clock")
shown = clock["features"]["trained, next-token probabilities"][:, 1]


def within(name: str) -> float:
    """R2 within 50 bins of the trained model's own probability of a tick."""
    predicted, held_out = clock["read"][name].predicted, clock["held_out"]
    return r_squared_within(predicted, clock["truth"][held_out], shown[held_out], n_bins=50)


clock_within = {name: within(name) for name in clock["read"]}
last = clock_within["trained, after block 2"]
untrained_within = max(value for name, value in clock_within.items() if "untrained" in name)
outcome(
    "24.forgotten",
    "about none: R2 within bins below .2"
    if last < 0.2
    else "a part: .2 to .8"
    if last <= 0.8
    else "nearly all: above .8",
)

# %%
plots.table(
    [
        (name, f"{clock['read'][name].r2:.3f}", f"{value:.2f}")
        for name, value in clock_within.items()
    ],
    columns=["belief of the slow clock, read from", "R2", "R2 within bins"],
)

# %%
held_out = clock["held_out"]
figures.simplex(
    {
        "ideal observer": reading.simplex_xy(clock["truth"][held_out]),
        "read from the stream": reading.simplex_xy(
            clock["read"]["trained, after block 2"].predicted
        ),
        "read from the prediction": reading.simplex_xy(
            clock["read"]["trained, next-token probabilities"].predicted
        ),
    },
    clock["truth"][held_out],
    title="The stream holds the slow clock's belief; the prediction cannot tell 0 from 1",
    corners=CORNERS,
)

# %% [markdown]
# The difference is not forgotten. Among sequences with the same prediction, the readout from the last block's output still explains **0.94** of the variance of the belief. (Read from the prediction, R2 within bins is below zero: a straight line through all predictions is off in most bins, and worse than the mean of each.)
#
# Is it more than a copy of some tokens? The untrained transformer has **0.72** within bins, a linear map of the tokens **0.66**, and with all products of two tokens **0.84**. Six tokens of memory, enough for Mess3, explain about a quarter here, ten **0.71**. The trained stream tells the belief as well as an observer of fourteen tokens. So training has put something there that goes beyond pairs of tokens. (Two more
# trainings agree. A larger nonlinear map was not tried.)

# %% tags=["numbers"]
claim("within bins, trained", last, text=0.94, within=0.02)
claim("within bins, untrained", untrained_within, text=0.72, within=0.03)
claim("within bins, tokens", clock_within["one-hots of the 16 tokens"], text=0.66, within=0.04)
assert 0.15 < clock_within["ideal, last 6 tokens"] < 0.35
claim("within bins, memory 10", clock_within["ideal, last 10 tokens"], text=0.71, within=0.04)
assert clock_within["trained, next-token probabilities"] < 0.1
claim("products", clock_within["the same, with products by twos"], text=0.84, within=0.03)
assert abs(clock_within["ideal, last 14 tokens"] - last) < 0.02
assert (tick_given[0] - tick_given[1]).abs() < 0.02 < 0.3 < tick_given[2] - tick_given[0]

# %% [markdown]
# ## 4. Is the belief used?
#
# A belief that can be read need not be used. To test use, **exchange** the belief: while the model reads one sequence, give it the belief of another one, and see which predictions follow. The ideal observer tells what *should* happen: it computes the prediction with the exchanged belief.
#
# The pairs come from sequences whose first ten tokens lead to *equal predictions* (within `0.01`) *and different beliefs* (at least `0.15` apart). Both end with the same token, and go on with the same six tokens. So what comes after can depend on what the first ten tokens were, and on nothing else.

# %%
pairs = equal_predictions(slow, generator=torch.Generator().manual_seed(recipe.PAIRS))
at = pairs.at  # the tenth token, at position 9
print(len(pairs.rows), "pairs; for instance, with ticks as |:")
shows_most = pairs.ideal.abs().sum(1).argmax()
for row in (pairs.rows[shows_most], pairs.partners[shows_most]):
    text = "".join("|" if token else "." for token in row.tolist())
    now = beliefs(row[None], slow)[0, at]
    print(
        f"{text[: at + 1]} {text[at + 1 :]}  belief after ten {[round(b, 2) for b in now.tolist()]},",
        f"P(tick next) {next_token_probs(now, slow)[1]:.3f}",
    )
apart = beliefs(pairs.partners, slow)[:, at] - beliefs(pairs.rows, slow)[:, at]
toward = tick_given - tick_given.mean()  # the change of belief that moves P(tick) most
along = (apart @ toward / toward.norm()).abs().mean()
print(
    f"mean distance of the beliefs: {apart.norm(dim=1).mean():.2f}; along what moves P(tick): {along:.3f}"
)

# %% [markdown]
# Exchange *what*? The stream has 64 dimensions. A regression from the belief to the stream (`belief_planes`, fitted on the other half of the beginnings) gives the two directions along which the stream moves when the belief does. They span the **belief plane** of a position. Along its **forgettable** direction the stream moves with a change of belief that leaves P(tick) as it is; along its direction of the **prediction**, with a change at right angles to that. `plane_part(difference, {9: plane})` projects a difference of streams onto the plane at position 9; at positions without a plane it is zero.
#
# ### Exercise 4 · exchange (8 minutes, hard)
#
# `part` says what of the difference is exchanged, for instance `lambda difference: plane_part(difference, {9: plane})`.


# %% tags=["exercise:utils.reading.beliefs.exchange"]
def exchange(
    model,
    rows: Int[Tensor, "pair pos"],
    partners: Int[Tensor, "pair pos"],
    part: Callable[[Float[Tensor, "pair pos d_model"]], Float[Tensor, "pair pos d_model"]],
    *,
    layer: int,
) -> Float[Tensor, "pair pos token"]:
    """The model's next-token probabilities on `rows` with a part of their partners' stream.

    The residual stream before block `layer` is changed while the model reads `rows`.

    Args:
        part: of the difference, the partners' stream minus that of `rows`, it gives what is added
            to the stream of `rows`. (`lambda difference: difference` exchanges all of it.) It is
            any function of all pairs together, to be called once.

    Returns:
        Probabilities, without a gradient. No hook stays on the model.
    """
    ### BEGIN SOLUTION
    name = f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        _, cache = model.run_with_cache(partners, names_filter=[name])

        def add_part(resid, hook):
            return resid + part(cache[name] - resid)

        return model.run_with_hooks(rows, fwd_hooks=[(name, add_part)]).softmax(-1)
    ### END SOLUTION


# %% tags=["check"]
exchange = lesson_24.check_exchange(exchange)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two runs. The first, on `partners`, keeps the stream before block `layer`. The second, on `rows`, has a hook there that returns its own stream plus `part(theirs - own)`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The place is `f"blocks.{layer}.hook_resid_pre"`. `_, cache = model.run_with_cache(partners, names_filter=[name])`, then `model.run_with_hooks(rows, fwd_hooks=[(name, hook)]).softmax(-1)`, both under `torch.no_grad()`. Do not add in place.
#
# </details>

# %% [markdown]
# **Two kinds of predictions** can follow an exchange at position 9:
#
# - its **own** prediction of the next token. The pairs above predict alike, so they can show nothing here. For this one, and only here, each sequence gets the belief of another one (`others_of`), with the same last token and any prediction;
# - **later** predictions, at positions 10 to 15, in the pairs above. They see position 9 by attention only.
#
# `follows` gives one **slope** over all pairs: the model's change of P(tick) over the ideal observer's. 1 means as far as the ideal observer, 0 not at all.
#
# **Controls.** Would predictions move with any change? One control is all of the stream *but* the plane. But here the belief plane is nearly the plane of largest variance, so little variance is left. Fairer is the plane of principal components 3 and 4, with the change made as long as the one in the belief plane (`part_as_long`).

# %% tags=["folded"]
# What is measured with your `exchange`: the change of P(tick), and the ideal observer's.
model = clock["trained"]
others = others_of(pairs)
ticks = [next_token_probs(beliefs(each, slow), slow)[:, at, 1] for each in (pairs.rows, others)]
unchanged = exchange(model, pairs.rows, pairs.rows, torch.zeros_like, layer=0)[..., 1]
planes = {
    layer: dict(enumerate(belief_planes(model, pairs.others, slow, layer=layer)))
    for layer in (1, 2)
}
with torch.no_grad():
    place = "blocks.2.hook_resid_pre"
    stream_at = model.run_with_cache(pairs.others, names_filter=[place])[1][place][:, at].double()
components = torch.linalg.svd(stream_at - stream_at.mean(0)).Vh.T


def own(part: Callable, layer: int) -> tuple:
    """The prediction at position 9, when `part(difference)` is exchanged."""
    change = exchange(model, pairs.rows, others, part, layer=layer)[..., 1] - unchanged
    return change[:, at, None].double(), (ticks[1] - ticks[0])[:, None]


def later(part: Callable, layer: int) -> tuple:
    """Each prediction after position 9; for the one at t, `part(difference, t)` is exchanged."""
    change = []
    for t in range(at + 1, 16):
        part_t = partial(part, t=t)
        after = exchange(model, pairs.rows, pairs.partners, part_t, layer=layer)[..., 1]
        change.append(after[:, t] - unchanged[:, t])
    return torch.stack(change, dim=1).double(), pairs.ideal


def length(part: Callable, layer: int) -> float:
    """The mean length of what is exchanged at position 9, for its own prediction."""
    kept = []
    exchange(model, pairs.rows, others, lambda d: kept.append(part(d)) or d, layer=layer)
    return kept[0][:, at].norm(dim=-1).mean().item()


def told(found) -> str:
    """A slope and its 95% interval over pairs."""
    return f"{found.slope:z.2f} [{found.interval[0]:z.2f}, {found.interval[1]:z.2f}]"


# %%
here = {at: planes[2][at]}
two = plane_directions(planes[2][at], slow)
parts = {
    "the belief plane": partial(plane_part, planes=here),
    "its direction of the prediction": partial(plane_part, planes={at: two["prediction"]}),
    "its forgettable direction": partial(plane_part, planes={at: two["forgettable"]}),
    "all but the plane": lambda d: at_positions(d, [at]) - plane_part(d, here),
    "components 3 and 4, as long": partial(
        part_as_long, planes=here, instead={at: components[:, 2:4]}
    ),
}
slopes = {name: follows(*own(part, 2)) for name, part in parts.items()}
plots.table(
    [(name, f"{length(part, 2):.1f}", told(slopes[name])) for name, part in parts.items()],
    columns=["exchanged at position 9, before block 2", "length", "own prediction: slope"],
)

# %%
figures.responses(
    {
        name: own(parts[name], 2)[::-1]
        for name in ("the belief plane", "components 3 and 4, as long")
    },
    title="The next prediction follows the exchanged belief plane",
    x="change of the ideal observer's P(tick)",
    y="change of the transformer's",
)

# %% [markdown]
# **The next prediction uses the plane.** Exchange two of 64 dimensions, and it follows at **0.95**. Both controls stay near 0, one with a change as long.
#
# The direction of the prediction does it all, also at **0.95**, and the forgettable direction nothing. That zero shows that the exchange is *specific*, and no more: a perfect user of the belief would show it too, since along this direction the ideal P(tick) does not change. Whether the forgettable half is used, only *later* predictions can tell.
#
# ## 5. Is it handed on?
#
# A test of later predictions needs a place where they can follow. Nothing later reads the last block's output. And before block 2, an exchange of the *whole* stream at position 9 moves later predictions by a slope of `0.00`: this test has no power there. So exchange before block 1.
#
# Nor is one position the past: a later position t may read any of 0 to t - 1. So exchange *all* streams before t, and score the prediction at t alone. Or exchange the stream of t itself, and none before it. Before block 1 these two together are all that it can use.

# %%
predict(
    "24.handed",
    "Exchange all earlier positions before block 1, and not the position's own stream. How far do later predictions follow?",
    choices=["hardly: slope below .2", "in part: .2 to .7", "nearly all the way: above .7"],
)

# %%
exchanged = {
    "0 to t - 1: whole streams": lambda d, t, planes: at_positions(d, range(t)),
    "0 to t - 1: belief planes": lambda d, t, planes: plane_part(
        d, {i: planes[i] for i in range(t)}
    ),
    "t itself: whole stream": lambda d, t, planes: at_positions(d, [t]),
}
handed = {
    layer: {
        name: follows(*later(partial(part, planes=planes[layer]), layer))
        for name, part in exchanged.items()
    }
    for layer in (1, 2)
}
at_one = follows(*later(lambda d, t: at_positions(d, [at]), 2))
from_tokens = follows(*later(lambda d, t: at_positions(d, range(at + 1)), 0))
share = handed[1]["0 to t - 1: whole streams"].slope
itself = handed[1]["t itself: whole stream"].slope
outcome(
    "24.handed",
    "hardly: slope below .2"
    if share < 0.2
    else "in part: .2 to .7"
    if share <= 0.7
    else "nearly all the way: above .7",
)

# %%
rows = [(name, told(handed[1][name]), told(handed[2][name])) for name in exchanged]
rows.append(("tokens 0 to 9 (before block 0)", told(from_tokens), ""))
plots.table(
    rows, columns=["exchanged, for the prediction at t", "before block 1", "before block 2"]
)

# %%
diagrams.diagram(
    {
        "tokens 0 to 9": (1.3, -1),
        "streams 0 to t - 1": (0, 0),
        "stream at t": (2.6, 0),
        "prediction at t": (2.6, 1),
    },
    [
        ("tokens 0 to 9", "streams 0 to t - 1", "block 0"),
        ("tokens 0 to 9", "stream at t", f"block 0: {itself:.2f}"),
        ("streams 0 to t - 1", "stream at t", f"blocks 1, 2: {share:.2f}"),
        ("stream at t", "prediction at t"),
    ],
    title=f"Two ways to a later prediction: {share:.2f} by earlier streams, {itself:.2f} by its own",
)

# %% [markdown]
# **Nearly half is handed on**: **0.42** comes by the streams of earlier positions, nearly all of it by their belief planes; **0.51** by the position's own stream, which block 0 has filled from the tokens. (That the two add up to the `0.92` of the tokens is an observation; it need not be so.) Before block 2, **0.16** is left to hand on. So in this training block 0 collects tokens, block 1 passes on a part of the belief, and block 2
# works mostly on what a position already has.
#
# **Is the forgettable half among it?** Here is the cleanest test. At position 9 the beliefs of a pair differ by `0.39` on average, and only by `0.017` along what moves P(tick). So exchange that *one* position before block 1: what reaches later predictions from there is the forgettable half. The same was measured in three trainings of this clock and of a quicker one (*Going deeper*), where the two distances are `0.30` and `0.013`:

# %%
kept = json.loads((root / "data" / "beliefs" / "seeds.json").read_text())
by_seed = {
    f"{name} clock, seed {seed}": kept[f"{process}, seed {seed}"]["exchanges"]
    for name, process in {"slow": "slow_clock", "quick": "clock"}.items()
    for seed in (0, 1, 2)
}


def in_all(what: str, when: str = "later") -> list[float]:
    """A slope in each of the six trainings."""
    return [each[what][when][0] for each in by_seed.values()]


used, drawn_at_one = (
    in_all(f"layer 1, one position, {what}") for what in ("forgettable", "random")
)
at_nine = {
    "position 9: whole stream": "layer 1, one position, stream",
    "position 9: forgettable direction": "layer 1, one position, forgettable",
    "position 9: direction of the prediction": "layer 1, one position, prediction",
    "position 9: random plane, as long as the belief plane's part": "layer 1, one position, random",
    "0 to t - 1: whole streams": "layer 1, earlier positions, stream",
}
plots.table(
    [(name, *(f"{value:z.2f}" for value in in_all(what))) for name, what in at_nine.items()],
    columns=["later predictions: slope, before block 1", *by_seed],
)

# %% [markdown]
# **In two of six trainings the forgettable half is used**: seed 2 of the slow clock (**0.16**, interval `0.14` to `0.17`) and seed 0 of the quick one (**0.22**, `0.17` to `0.28`). The direction of the prediction gives `0.05` and `0.01` there, a random plane `0.03` and `0.08`. In the other four, even the whole stream of position 9 gives `0.03` at most. Later positions hardly read this one there, so the test cannot tell.
#
# So the two halves of one readable belief are used in different places: one half for the next token, the other for later ones, in some trainings. The R2 is `0.97` or more in all six (`data/beliefs/README.md`), and does not tell them apart.
#
# **What this does not show.** An exchange makes a stream disagree with its tokens or its neighbours; a model with two sources might trust the other one. That a share passes through the belief planes does not say that the heads apply Bayes' rule to it.

# %% tags=["numbers"]
claim("own, plane, before block 2", slopes["the belief plane"].slope, text=0.95, within=0.05)
of_prediction = slopes["its direction of the prediction"].slope
claim("own, prediction", of_prediction, text=0.95, within=0.06)
assert abs(slopes["its forgettable direction"].slope) < 0.03
assert all(abs(slopes[name].slope) < 0.1 for name in list(parts)[3:])
alike = (length(parts[name], 2) for name in ("the belief plane", "components 3 and 4, as long"))
assert abs(next(alike) - next(alike)) < 0.1
basis = torch.linalg.qr(planes[2][at].double()).Q
assert torch.linalg.svdvals(basis.T @ components[:, :2]).min() > 0.8, "nearly the largest variance"
assert abs(at_one.slope) < 0.005
assert abs(from_tokens.slope - 0.92) < 0.04
claim("handed on, block 1", share, text=0.42, within=0.03)
claim("own stream, block 1", handed[1]["t itself: whole stream"].slope, text=0.51, within=0.03)
assert abs(share + handed[1]["t itself: whole stream"].slope - from_tokens.slope) < 0.05
assert abs(handed[1]["0 to t - 1: belief planes"].slope - share) < 0.04
claim("handed on, block 2", handed[2]["0 to t - 1: whole streams"].slope, text=0.16, within=0.023)
assert handed[2]["t itself: whole stream"].slope > 0.7
assert 0.35 < apart.norm(dim=1).mean() < 0.43 and along < 0.03
claim("forgettable, slow clock, seed 2", used[2], text=0.16, within=0.01)
claim("forgettable, quick clock, seed 0", used[3], text=0.22, within=0.01)
for i, low, high in ((2, 0.14, 0.17), (3, 0.17, 0.28)):
    interval = [*by_seed.values()][i]["layer 1, one position, forgettable"]["later"][1:]
    assert abs(interval[0] - low) < 0.01 and abs(interval[1] - high) < 0.01
    assert interval[0] > 1.5 * drawn_at_one[i]
    assert used[i] > 2 * in_all("layer 1, one position, prediction")[i]
assert max(in_all("layer 1, one position, stream")[i] for i in (0, 1, 4, 5)) < 0.035
assert all(
    kept[name]["trained"]["after block 2"][0] > 0.97 for name in kept if "clock, seed" in name
)

# %% [markdown]
# ## 6. Three recordings
#
# ### Investigation · who recorded this? (5 minutes, medium)
#
# Three recordings, A, B and C, hold 64 numbers for each of the same sequences of the slow clock. One is the stream before block 1 of the *trained* transformer. One is that of an *untrained* one. One is an ideal observer's belief, in random directions, who *forgets* all but the last few tokens. You have **three readings**:
# `recordings.read("A", "belief")` gives the R2 of the belief, and `recordings.read("A", 0)` the R2 of the last token, `1` that of the one before it, up to `15`. Which is which? Remember that the clock comes round every three steps. Answer with a dictionary, such as `{"A": "trained", "B": "untrained", "C": "forgets"}`.

# %%
longest = torch.cat(
    recipe.different_sequences(slow, 6000, length=16, generator=torch.Generator().manual_seed(5))
)
recordings = three_recordings(
    *(
        recipe.residuals(clock[name], longest)["before block 1"]
        for name in ("trained", "untrained")
    ),
    longest,
    slow,
    budget=3,
)
print(f"{recordings.left} readings left")

# %%
# Your readings, one at a time, such as `recordings.read("A", 0)`.

# %% tags=["answer:recorded"]
### BEGIN SOLUTION
recorded = {"A": "untrained", "B": "forgets", "C": "trained"}
### END SOLUTION

# %% tags=["check"]
recorded = lesson_24.check_recorded(recorded)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Which tokens does an observer who forgets know nothing of? What does a random mixture of all tokens know of them?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Read a token that is twelve back from each recording. One knows nothing of it, and one nearly everything. The third keeps some old tokens, and this one hardly.
#
# </details>

# %% tags=["numbers"]
again = three_recordings(
    *(
        recipe.residuals(clock[name], longest)["before block 1"]
        for name in ("trained", "untrained")
    ),
    longest,
    slow,
    budget=99,
)
tokens_of = {who: [again.read(name, back) for back in range(16)] for name, who in recorded.items()}
assert max(tokens_of["trained"][back] for back in (3, 6, 9, 12, 15)) < 0.4
assert min(tokens_of["trained"][back] for back in (4, 5, 7, 8, 10, 11)) > 0.85
assert tokens_of["trained"][12] > 0.1 > 0.05 > abs(tokens_of["forgets"][12])
assert min(tokens_of["untrained"]) > 0.9
first = [
    [kept[f"slow_clock, seed {seed}"][who]["before block 1"][0] for seed in (0, 1, 2)]
    for who in ("trained", "untrained")
]
assert [round(value, 2) for value in first[0]] == [0.80, 0.96, 0.86]
assert [round(value, 2) for value in first[1]] == [0.88, 0.87, 0.86]

# %% [markdown]
# The untrained model keeps *every* token. The trained one has lost every third, `3, 6, 9, ...` tokens back. Block 0 has two heads. In this training each collects the tokens of one phase of the ring, `1, 4, 7, ...` and `2, 5, 8, ...` back. The third phase stands in the streams one and two back, where block 1 looks (*Going deeper*).
#
# The R2 of the belief does *not* tell who was trained: before block 1 it is `0.80`, `0.96` and `0.86` in three trainings, and `0.88`, `0.87` and `0.86` in untrained models.
#
# ## Going deeper: what the heads look at
#
# How much does a head attend to the token 0, 1, 2, ... positions back?
#
# ### Exercise 5 · attention by distance (8 minutes, medium)


# %% tags=["exercise:utils.reading.beliefs.attention_by_distance"]
def attention_by_distance(
    pattern: Float[Tensor, "batch head query key"],
) -> Float[Tensor, "head distance"]:
    """Each head's mean attention to the token `distance` positions back (0 is the token itself).

    The mean is over the batch and over all queries that have a token so far back.
    """
    ### BEGIN SOLUTION
    n = pattern.shape[-1]
    mean = pattern.mean(0)
    return torch.stack(
        [mean.diagonal(-distance, dim1=-2, dim2=-1).mean(-1) for distance in range(n)], dim=-1
    )
    ### END SOLUTION


# %% tags=["check"]
attention_by_distance = lesson_24.check_attention_by_distance(attention_by_distance)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Query `q` and the key `distance` back: `pattern[:, :, q, q - distance]`. That is a diagonal below the main one.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `pattern.mean(0).diagonal(-distance, dim1=-2, dim2=-1)` is [head, query]. Its mean over the queries, for each distance, and `torch.stack(..., dim=-1)`.
#
# </details>

# %%
seen = clock["tokens"][:500]


def attention(model, layer: int) -> Tensor:
    name = f"blocks.{layer}.attn.hook_pattern"
    with torch.no_grad():
        return attention_by_distance(model.run_with_cache(seen, names_filter=[name])[1][name])


figures.by_distance(
    {
        "block 0": attention(clock["trained"], 0)[:, :13],
        "block 1": attention(clock["trained"], 1)[:, :13],
        "untrained, block 0": attention(clock["untrained"], 0)[:, :13],
    },
    title="Block 0 attends to every third token, block 1 to its neighbours",
    y="mean attention",
)

# %% [markdown]
# The clock comes round every three steps. One head of block 0 attends to the tokens 1, 4, 7, ... back, the other to 2, 5, 8, ...: each collects how often there were ticks in one phase. The third phase, 3, 6, 9, ..., is left out. An untrained model attends nearly evenly. Block 1 gives **0.76** of its attention to the positions one and two back, where block 0 has collected the other phases.
#
# **Task.** Draw block 2, and the heads of Mess3's model (`three["trained"]`, on `three["tokens"]`). What do its heads do, without a period?

# %% tags=["numbers"]
found = attention(clock["trained"], 0)
for head in (0, 1):
    best = int(found[head, 1:4].argmax()) + 1
    on = found[head, [best, best + 3, best + 6]].sum()
    assert best in (1, 2) and on > 10 * found[head, [3, 6, 9]].sum()
flat = attention(clock["untrained"], 0)
assert flat[0, 1:10].max() < 3 * flat[0, 1:10].min()
near = attention(clock["trained"], 1)[:, 1:3].sum(-1).mean()
claim("block 1, one and two back", near, text=0.76, within=0.06)

# %% [markdown]
# ## Going deeper: from how far back is it handed on?
#
# Attention does not say what difference it makes. So exchange the belief at *one* position, 1, 2, 3, ... before the one whose prediction is scored.
#
# ### Exercise 6 · exchange by distance (10 minutes, hard)


# %% tags=["exercise:utils.reading.beliefs.follows_by_distance"]
def follows_by_distance(
    model,
    pairs,
    planes: Mapping[int, Float[Tensor, "d_model direction"]],
    *,
    layer: int,
    distances: Sequence[int],
) -> Float[Tensor, " distance"]:
    """How far later predictions follow an exchange of the belief `distance` positions back.

    For the prediction at each position t after `pairs.at`, the part of the stream before block
    `layer` in `planes[t - distance]` is exchanged at position t - distance, and nowhere else.

    Args:
        pairs: as those of `equal_predictions`, with `rows`, `partners`, `ideal` and `at`.

    Returns:
        For each distance the slope, of `follows`, of all these changes of P(token 1) over
        `pairs.ideal`.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        plain = model(pairs.rows).softmax(-1)
    slopes = []
    for distance in distances:
        changes = []
        for t in range(pairs.at + 1, pairs.rows.shape[1]):
            part = partial(plane_part, planes={t - distance: planes[t - distance]})
            after = exchange(model, pairs.rows, pairs.partners, part, layer=layer)
            changes.append((after - plain)[:, t, 1])
        slopes.append(follows(torch.stack(changes, dim=1).double(), pairs.ideal).slope)
    return torch.tensor(slopes)
    ### END SOLUTION


# %% tags=["check"]
follows_by_distance = lesson_24.check_follows_by_distance(follows_by_distance)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two loops: over distances, and over positions t after `pairs.at`. Each pass has its own exchange, of which only the change at position t is kept.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `part = partial(plane_part, planes={t - distance: planes[t - distance]})`; then `exchange(...)[:, t, 1]` minus the same without an exchange. Stack along `dim=1`; `follows(changes.double(), pairs.ideal).slope`.
#
# </details>

# %%
quick = task.clock()
quick_model = load("beliefs/clock", device="cpu")
quick_pairs = equal_predictions(quick, generator=torch.Generator().manual_seed(recipe.PAIRS))
back = range(1, 8)
from_back = {
    "slow clock": follows_by_distance(model, pairs, planes[1], layer=1, distances=back),
    "quick clock": follows_by_distance(
        quick_model,
        quick_pairs,
        dict(enumerate(belief_planes(quick_model, quick_pairs.others, quick, layer=1))),
        layer=1,
        distances=back,
    ),
}
plots.table(
    [(name, *(f"{value:z.2f}" for value in values)) for name, values in from_back.items()],
    columns=["belief plane exchanged, before block 1", *(f"{k} back" for k in back)],
)

# %% [markdown]
# Both hand on most from the position just before: at a slope of about `0.1` in the slow clock, and `0.3` in the quick one (last section). No single position gives what all together do.
#
# **Task.** Exchange the two nearest positions together. Is it the sum? Then replace the planes by their forgettable directions (`plane_directions`).

# %% tags=["numbers"]
assert all(values.argmax() == 0 for values in from_back.values())
assert 0.07 < from_back["slow clock"][0] < 0.17 and 0.2 < from_back["quick clock"][0] < 0.4
assert from_back["slow clock"].max() < share
ends = [beliefs(each, quick)[:, at] for each in (quick_pairs.rows, quick_pairs.partners)]
given = quick.sum(-1)[1] - quick.sum(-1)[1].mean()
assert abs((ends[1] - ends[0]).norm(dim=1).mean() - 0.30) < 0.03
assert ((ends[1] - ends[0]) @ given / given.norm()).abs().mean() < 0.02

# %% [markdown]
# ## Going deeper: a control that leaks, and the two directions
#
# Exchange positions 0 to 9 only, before block 1, and score the same later predictions. And which direction of the planes carries what is handed on?


# %%
def earlier(columns: dict, part: Callable = plane_part) -> Callable:
    """The part in the planes of positions 0 to t - 1."""
    return lambda d, t: part(d, {i: columns[i] for i in range(t)})


split = {i: plane_directions(plane, slow) for i, plane in planes[1].items()}
finer = {
    "0 to t - 1: belief planes": earlier(planes[1]),
    "0 to 9 only: belief planes": lambda d, t: earlier(planes[1])(d, at + 1),
    "0 to t - 1: all but the planes": lambda d, t: (
        at_positions(d, range(t)) - earlier(planes[1])(d, t)
    ),
    "0 to t - 1: direction of the prediction": earlier(
        {i: s["prediction"] for i, s in split.items()}
    ),
    "0 to t - 1: forgettable direction": earlier({i: s["forgettable"] for i, s in split.items()}),
}
drawn_planes = partial(reading.random_part, generator=torch.Generator().manual_seed(200))
finer["0 to t - 1: random planes, as long"] = earlier(planes[1], drawn_planes)
finer = {name: follows(*later(part, 1)) for name, part in finer.items()}
plots.table(
    [(name, told(found)) for name, found in finer.items()],
    columns=["exchanged, before block 1", "later predictions: slope"],
)

# %% [markdown]
# **A control can leak.** Positions 0 to 9 give `0.23`, where all earlier ones give `0.41`: positions 10 to t - 1 still hold what they had read in block 0. The direction of the prediction carries `0.28`, the forgettable one `0.12`, random planes about half of that. (These streams differ along both directions: the one position of the core says more.)
#
# Your filter would hand on everything, at every step. Piotrowski and colleagues (2025, arXiv 2502.01954) study one-layer transformers, in which attention updates the belief from all tokens in parallel. What comes by a position's own stream may be such an update.
#
# **Task.** Repeat the table before block 2. What is left of the forgettable direction there?

# %% tags=["numbers"]
assert 0.19 < finer["0 to 9 only: belief planes"].slope < 0.27
assert abs(finer["0 to t - 1: all but the planes"].slope) < 0.05
assert 0.22 < finer["0 to t - 1: direction of the prediction"].slope < 0.34
assert 0.07 < finer["0 to t - 1: forgettable direction"].slope < 0.17
assert abs(finer["0 to t - 1: random planes, as long"].slope) < 0.1

# %% [markdown]
# ## Going deeper: the weights that read are not the directions that write
#
# A probe's weights were fitted to *read* the belief: stream to belief. The plane above was fitted the other way: belief to stream. Does it matter which one is exchanged?

# %%
reader = ridge(stream_at, beliefs(pairs.others, slow)[:, at], penalty=1e-3)
candidates = {
    "directions that move with the belief": planes[2][at],
    "weights that read the belief": reader.weights[:, :2],
    "first two principal components": components[:, :2],
}
along = {title: partial(plane_part, planes={at: each}) for title, each in candidates.items()}
plots.table(
    [
        (title, told(follows(*own(part, 2))), f"{length(part, 2):.2f}")
        for title, part in along.items()
    ],
    columns=[
        "exchanged at one position, before block 2",
        "own prediction: slope",
        "mean length of the change",
    ],
)

# %% [markdown]
# The probe's own weights move nothing. To read one thing among others that vary together with it, a regression puts weight on small differences that cancel the rest, and along these the stream hardly varies (Haufe and colleagues, 2014, call the two *filter* and *pattern*). So an intervention along them can fail although the belief is used. The plane of largest variance nearly coincides with the belief plane here, and does as well.
#
# **Task.** Repeat the table before block 1, and with `penalty=1e3` in the `ridge`. What happens to the slope, and to the length?

# %% tags=["numbers"]
assert follows(*own(along["weights that read the belief"], 2)).slope < 0.1
assert follows(*own(along["first two principal components"], 2)).slope > 0.7

# %% [markdown]
# ## Going deeper: other trainings, and a quicker clock
#
# Another clock moves on with probability `0.8`, and ticks with `0.85` in state 0 and `0.15` in the others. What may be forgotten?

# %%
quick = task.clock()
ticks_quick = quick.sum(-1)[1]
print("P(next token is a tick | state 0, 1, 2) =", [round(p, 2) for p in ticks_quick.tolist()])
for belief in ([0.75, 0.0, 0.25], [0.0, 0.5625, 0.4375]):
    print(belief, "->", round(float(next_token_probs(torch.tensor(belief).double(), quick)[1]), 3))
# directions that keep the sum at 1 and the prediction as it is
forgettable = torch.linalg.svd(torch.stack([torch.ones(3).double(), ticks_quick])).Vh[2]
print("may be forgotten:", (forgettable / -forgettable[0]).tolist())

# %% [markdown]
# What may be forgotten lies along `(-1, 0.75, 0.25)`, mostly the difference of 0 and 1. It forgets quickly: a memory of six tokens reads its belief as well as the model does. That is why the core has a slow clock.
#
# More exchanges in the six trainings:

# %%
wanted = {
    "own: direction of the prediction": ("layer 2, one position, prediction", "own"),
    "later, before block 1: 0 to t - 1": ("layer 1, earlier positions, stream", "later"),
    "the same, forgettable directions": ("layer 1, earlier positions, forgettable", "later"),
    "the same, random planes": ("layer 1, earlier positions, random", "later"),
    "later, before block 1: t itself": ("layer 1, the position itself, stream", "later"),
}
plots.table(
    [(title, *(f"{z:z.2f}" for z in in_all(*what))) for title, what in wanted.items()],
    columns=["slope", *by_seed],
)

# %% [markdown]
# In all six, a position's own prediction follows the direction of the prediction. Earlier positions hand on **0.30** to **0.79** of the ideal change. In the two trainings in which one position showed the forgettable half, the forgettable directions of all earlier positions give `0.44` and `0.28`, well above random planes. In the other four they give `0.12` at most.
#
# **Task.** Run the core on the quick clock, from `clock = study("clock")` on. Which distance do its heads attend to?

# %% tags=["numbers"]
handed_on = in_all("layer 1, earlier positions, stream")
claim("handed on, least", min(handed_on), text=0.30, within=0.01)
claim("handed on, most", max(handed_on), text=0.79, within=0.01)
of_forgettable, by_chance = (
    in_all(f"layer 1, earlier positions, {what}") for what in ("forgettable", "random")
)
assert abs(of_forgettable[2] - 0.44) < 0.01 and abs(of_forgettable[3] - 0.28) < 0.01
assert all(of_forgettable[i] > 3 * by_chance[i] for i in (2, 3))
assert max(of_forgettable[i] for i in (0, 1, 4, 5)) < 0.125
assert min(in_all("layer 2, one position, prediction", "own")) > 0.6
assert max(map(abs, in_all("layer 2, one position, forgettable", "own"))) < 0.1
direction = forgettable / -forgettable[0]
assert torch.allclose(direction, torch.tensor([-1, 0.75, 0.25]).double(), atol=1e-6)

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "Mess3's belief, R2",
            f"{three['read']['trained, after block 2'].r2:.3f}",
            f"{untrained_r2:.3f} untrained; {output_r2:.3f} from the output",
            "the same picture, Mess3 (Shai et al.)",
        ),
        (
            "slow clock's belief, R2 within bins of the prediction",
            f"{last:.2f}",
            f"{untrained_within:.2f} untrained; {clock_within['the same, with products by twos']:.2f} tokens and products",
            "",
        ),
        (
            "belief plane exchanged before block 2: own prediction",
            told(slopes["the belief plane"]),
            told(slopes["components 3 and 4, as long"]) + " components 3 and 4",
            "",
        ),
        (
            "later predictions: handed on before block 1",
            told(handed[1]["0 to t - 1: whole streams"]),
            told(handed[1]["t itself: whole stream"]) + " own stream",
            "",
        ),
        (
            "forgettable direction at one position: later predictions",
            f"{used[2]:.2f} and {used[3]:.2f}, in two of six trainings",
            f"{drawn_at_one[2]:.2f} and {drawn_at_one[3]:.2f} random plane",
            "",
        ),
    ],
    columns=["", "ours (3 layers, width 64)", "control", "paper"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. For which processes does a good prediction force the whole belief? What about English?
# 2. The forgettable half can be read after the last block, where nothing later can use it. Why might training leave it there?
#
# ## Common mistakes
#
# - Calling a high R2 evidence without the untrained model and the tokens beside it.
# - Exchanging along a probe's weights, and concluding from "no effect" that nothing is used.
# - Reporting "no effect" of an edit where the whole stream has none either.
# - Reporting as "not used" what an ideal user would not show.
# - Exchanging some positions, while others still hold the same information.
#
# ## Where this breaks
#
# Three layers, sequences of 16 tokens, all of which stay in view: there is no need to hand on a belief. Slopes are of one kind of pair. How much is handed on, and whether the forgettable half is used, differs between trainings.
#
# ## Further reading
#
# - Shai et al. (2024), *Transformers Represent Belief State Geometry in their Residual Stream*, arXiv 2405.15943
# - Piotrowski, Riechers, Filan and Shai (2025), *Constrained Belief Updates Explain Geometric Structures in Transformer Representations*, arXiv 2502.01954
# - Haufe et al. (2014), *On the interpretation of weight vectors of linear models in multivariate neuroimaging*, NeuroImage 87
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.3 · World models: a board that the model was never shown](23_world_models.ipynb) | **Next:** [3.1 · Steering vectors, and what they cost](31_steering_vectors.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/23_world_models.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/31_steering_vectors.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("24")
