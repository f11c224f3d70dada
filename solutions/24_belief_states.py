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
# **Time** one hour for the core, and 30 minutes for *Going deeper*. **Needs** lessons 00 and 2.1: hooks, probes and their splits.
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
from collections.abc import Callable, Mapping
from functools import partial

import torch
from jaxtyping import Float, Int
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
    others_of,
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
clouds = {}
for name, each in mess3_models.items():
    after = recipe.residuals(each, every)["after block 2"]
    clouds[name] = reading.read_out(
        after, every_belief, every, generator=torch.Generator().manual_seed(0)
    )
drawn = clouds["trained"].held_out
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
# This is the finding of Shai and colleagues (2024, arXiv 2405.15943): *transformers represent belief states in their residual stream*. Two questions are left, and they are this lesson's. Which part of the picture would *any* good predictor show? And does
# the model *use* the belief that we read?
#
# ## 1. The ideal observer
#
# The machine is a **hidden Markov process**. At each step it moves to a next state at random, and then the new state emits a token at random. Your machine is called *Mess3*. It stays in its state with probability `0.9`, and moves to each other state with `0.05`. Then
# state 0 emits A with probability `0.85` and each other token with `0.075`; states 1 and 2 favour B and C.
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
        T: `T[a, i, j]` is the probability that state i emits token a and moves to state j.
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
# Start with `stationary(T)` for every sequence. For each position, the joint probability of the token and the new state `j` is a sum over old states `i`: belief in `i`, times `T[token, i, j]`. Divide by the sum over `j`, and keep the result.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `for token in tokens.T:` goes through positions; `T[token]` is [batch, i, j]; `torch.einsum("bi,bij->bj", belief, T[token])` sums over `i`. Collect the beliefs in a list, and `torch.stack(found, dim=1)`.
#
# </details>

# %% [markdown]
# **The gate.** Before we look inside the transformer: does it predict well? Its loss is compared with the ideal observer's, which is the lowest possible, in *millinats* (thousandths of a nat). The rivals are ideal observers who **forget**: they know the last `k` tokens only.

# %%
mess3_excess = reading.excess_by_observer(
    mess3, mess3_models, memories=(1, 3, 5), generator=torch.Generator().manual_seed(4006)
)
plots.table(
    [(name, f"{value:.2f}") for name, value in mess3_excess.items()],
    columns=["who predicts, after 16 tokens", "millinats above the ideal observer"],
)

# %% [markdown]
# The transformer is nearly ideal. An observer who remembers only five tokens is nearer still: `0.30` millinats against `0.53`.
#
# ## 2. Read the belief
#
# A **readout** is a regression from activations to beliefs. It must be tested on sequences that it was not fitted on. Short sequences repeat. With 12,000 random sequences of 16 tokens, many occur twice, and the same tokens give the same activations. So split by *different contexts*, as lesson 2.1 split by group.
#
# ### Exercise 2 · the readout, with an honest split (7 minutes, medium)


# %% tags=["exercise:utils.reading.beliefs.read_out"]
def read_out(
    x: Float[Tensor, "row d_model"],
    y: Float[Tensor, "row target"],
    contexts: Int[Tensor, "row pos"],
    *,
    generator: torch.Generator,
) -> Reading:
    """Fit an affine map from `x` to `y` on half of the different contexts, and test it on the rest.

    Use `ridge(x, y, penalty=1e-3)`, which returns the fitted map.

    Args:
        contexts: the tokens that were read before `x`. The same may stand in several rows.

    Returns:
        `Reading(held_out, predicted, r2)`: True for the rows of half of the different contexts
        (rounded down), drawn with `generator` and not fitted to; `y` as it is predicted for these
        rows, in their order; and `r_squared` there.
    """
    ### BEGIN SOLUTION
    _, which = contexts.unique(dim=0, return_inverse=True)
    n = int(which.max()) + 1
    test = torch.randperm(n, generator=generator)[: n // 2]
    held_out = torch.isin(which, test)
    fitted = ridge(x[~held_out], y[~held_out], penalty=1e-3)
    predicted = fitted(x[held_out])
    return Reading(held_out, predicted, r_squared(predicted, y[held_out]))
    ### END SOLUTION


# %% tags=["check"]
read_out = lesson_24.check_read_out(read_out)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `contexts.unique(dim=0, return_inverse=True)` gives each row the number of its context. Draw half of these *numbers*, not of the rows.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randperm(n, generator=generator)[: n // 2]` are the contexts to hold out, and `torch.isin(which, those)` says which rows have one of them. Fit `ridge` on the rows `~held_out`; the result is a function, to be called with `x[held_out]`.
#
# </details>

# %%
predict(
    "24.untrained",
    "What R2 does this readout reach on an untrained transformer, for Mess3?",
    choices=["below .5", ".5 to .8", "above .8"],
)


# %% tags=["folded"]
def study(process: str) -> dict:
    """A process, sequences drawn from it, the true beliefs at their ends, and what may tell them."""
    T = task.PROCESSES[process]()
    tokens = task.sample_tokens(T, 12_000, length=16, generator=torch.Generator().manual_seed(24))
    models = with_untrained(process)
    stream = {name: recipe.residuals(each, tokens) for name, each in models.items()}
    one_hot = torch.nn.functional.one_hot(tokens, len(T)).flatten(1).double()
    features = {
        "trained, after block 2": stream["trained"]["after block 2"],
        "trained, before block 2": stream["trained"]["before block 2"],
        "trained, next-token probabilities": stream["trained"]["output"],
        "untrained, before block 1": stream["untrained"]["before block 1"],
        "untrained, after block 2": stream["untrained"]["after block 2"],
        "one-hots of the 16 tokens": one_hot,
        "the same, with products by twos": token_pairs(tokens, 16, n_tokens=len(T)),
    }
    features |= {f"ideal, last {k} tokens": remembered(tokens, k, T) for k in (1, 3, 6, 10, 14)}
    truth = beliefs(tokens, T)[:, -1]
    read = {
        name: read_out(x, truth, tokens, generator=torch.Generator().manual_seed(0))
        for name, x in features.items()
    }
    models |= {"T": T, "tokens": tokens, "truth": truth, "read": read, "features": features}
    return models


three = study("mess3")
kinds, which = three["tokens"].unique(dim=0, return_inverse=True)
print(f"{len(kinds):,} of {len(three['tokens']):,} sequences are different")
untrained_r2 = max(each.r2 for name, each in three["read"].items() if "untrained" in name)
output_r2 = three["read"]["trained, next-token probabilities"].r2
outcome(
    "24.untrained",
    "below .5" if untrained_r2 < 0.5 else ".5 to .8" if untrained_r2 <= 0.8 else "above .8",
)
plots.table(
    [(name, f"{each.r2:.3f}") for name, each in three["read"].items()],
    columns=["belief of Mess3, read from", "R2"],
)
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
# ("Before block 2" is the same place as "after block 1".) **Which control does an R2 of `0.95` need?** Look at the lower half of the table. An untrained transformer reaches **0.946**: it mixes its tokens at random, and the tokens are enough for most of the belief. A regression on the tokens themselves reaches **0.97**. Observers who remember three tokens reach **0.99**. So an R2 of `0.95`
# alone is no evidence that anything was learned. The trained transformer's **0.999** is above all of these except the long memories.
#
# **What prediction forces.** Now look at the row *next-token probabilities*: three numbers of the output read the belief as well as the stream does. They must. For Mess3, the ideal next-token probabilities are the belief times a 3 x 3 matrix:

# %%
print("P(token | state), a row for each state:")
print(mess3.sum(-1).T)
print("rank:", int(torch.linalg.matrix_rank(mess3.sum(-1))))

# %% [markdown]
# The matrix has full rank, so it can be inverted. If you know the right probabilities, you know the belief. **A model that predicts Mess3 well must contain the triangle, at the latest in its output.** The beautiful fractal follows from the gate. What remains the model's own is that its stream
# holds the belief *linearly*, early, and at every layer.
#
# To learn more, we need a process in which a good prediction does *not* fix the belief.

# %% tags=["numbers"]
claim("untrained, Mess3", untrained_r2, text=0.946, within=0.02)
claim("tokens, Mess3", three["read"]["one-hots of the 16 tokens"].r2, text=0.97, within=0.01)
claim("memory 3, Mess3", three["read"]["ideal, last 3 tokens"].r2, text=0.99, within=0.007)
claim("trained, Mess3", three["read"]["trained, after block 2"].r2, text=0.999, within=0.001)
assert abs(output_r2 - three["read"]["trained, after block 2"].r2) < 0.002
assert three["read"]["ideal, last 6 tokens"].r2 > three["read"]["trained, after block 2"].r2
assert mess3_excess["last 5 tokens"] < mess3_excess["trained"] < 1
assert mess3_excess["untrained"] > 100 * mess3_excess["trained"]

# %% [markdown]
# ## 3. A clock whose next token says too little
#
# The **slow clock** has three states in a ring, 0 to 1 to 2 to 0, and two tokens. At each step it moves on with probability `0.97` and rests otherwise. Then the new state emits a *tick* (token 1) with probability `0.7` in state 0, and with `0.3` in states 1 and 2. One token says little, so the past matters for long.

# %%
slow = task.slow_clock()
tick_given = slow.sum(-1)[1]
print("P(next token is a tick | state 0, 1, 2) =", [round(p, 3) for p in tick_given.tolist()])
for belief in ([0.7, 0.0, 0.3], [0.0, 0.678, 0.322]):
    tick = next_token_probs(torch.tensor(belief).double(), slow)[1]
    print(f"belief {belief}: P(tick next) = {tick:.3f}")

# %% [markdown]
# The token comes *after* the move. From state 2 the clock most likely moves to 0 and ticks. From states 0 and 1 a tick is unlikely, and about equally so. So **the next-token prediction cannot tell 0 from 1**: the two beliefs above predict the same. Their difference matters later, because state 1 is one step nearer to the next tick. The prediction is one
# number, the belief is two. A model that predicts the next token may forget one of the two as soon as the prediction is made.
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
    held_out, predicted, _ = clock["read"][name]
    truth = clock["truth"][held_out]
    return r_squared_within(predicted, truth, shown[held_out], n_bins=50)


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
plots.table(
    [
        (name, f"{clock['read'][name].r2:.3f}", f"{value:.2f}")
        for name, value in clock_within.items()
    ],
    columns=["belief of the slow clock, read from", "R2", "R2 within bins"],
)

# %%
held_out = clock["read"]["trained, after block 2"].held_out
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
# The difference is not forgotten: among sequences of equal prediction, the stream after the last block still explains **0.94** of it. (Read from the prediction, R2 within bins is below zero. The fit is one for all bins; inside a bin it has nothing left to go on.)
#
# Is it more than a copy of some tokens? The untrained transformer has **0.72** within bins, a linear map of the tokens **0.66**, and with all products of two tokens **0.84**. The observers who forget, which did so well on Mess3, fail here: six tokens of memory explain about a quarter, ten **0.71**; it takes fourteen to come level. So training has put something there that needs nearly all 16 tokens, and more than pairs of them. Two more
# trainings give the same (`data/beliefs/README.md`). A larger nonlinear map of the tokens was not tried.

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
# Decodable is not used. To test use, **exchange** the belief: while the model reads one sequence, give it the belief of another one, and see which predictions follow. The ideal observer tells what *should* happen: it computes the prediction with the exchanged belief.
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

# %% [markdown]
# Exchange *what*? The stream has 64 dimensions. A regression from the belief to the stream (`belief_planes`, fitted on the other half of the beginnings) gives the two directions along which the stream moves when the belief does. They span the **belief plane** of a position. `plane_part(difference, {9: plane})` projects a difference of streams onto the plane at position 9; at positions without a plane it is zero.
#
# ### Exercise 4 · exchange (8 minutes, hard)
#
# Now the intervention. `part` says what of the difference is exchanged, for instance `lambda difference: plane_part(difference, {9: plane})`.


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
            to the stream of `rows`. (`lambda difference: difference` exchanges all of it.)

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
# Two runs. The first, on `partners`, keeps the stream before block `layer` in a cache. The second, on `rows`, has a hook at the same place that returns its own stream plus `part(theirs - own)`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The place is `f"blocks.{layer}.hook_resid_pre"`. `_, cache = model.run_with_cache(partners, names_filter=[name])`, then `model.run_with_hooks(rows, fwd_hooks=[(name, hook)]).softmax(-1)`, both under `torch.no_grad()`. Do not add in place.
#
# </details>

# %% [markdown]
# **The control.** If predictions move, would they move with *any* change of that size? And if they do not, was the change too small? The control for an edit is an edit just as long in another direction.
#
# ### Exercise 5 · build the control (5 minutes, medium)


# %% tags=["exercise:utils.reading.beliefs.random_part"]
def random_part(
    difference: Float[Tensor, "pair pos d_model"],
    planes: Mapping[int, Float[Tensor, "d_model direction"]],
    *,
    generator: torch.Generator,
) -> Float[Tensor, "pair pos d_model"]:
    """A control for `plane_part`: parts just as long, along other directions.

    At each position of `planes` it is the part of `difference` in a random plane of as many
    directions (Gaussian columns from `generator`), with its length set, for each pair, to that of
    `plane_part(difference, planes)`.
    """
    ### BEGIN SOLUTION
    wanted = plane_part(difference, planes).norm(dim=-1, keepdim=True)
    drawn = {at: torch.randn(each.shape, generator=generator) for at, each in planes.items()}
    found = plane_part(difference, drawn)
    return found * wanted / found.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    ### END SOLUTION


# %% tags=["check"]
random_part = lesson_24.check_random_part(random_part)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# You have a function for the part in a plane: use it twice, with the belief planes for the lengths, and with planes of random columns for the directions.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randn(columns.shape, generator=generator)` for each position. Lengths are `.norm(dim=-1, keepdim=True)`; where there is no plane they are zero, so divide by `.clamp(min=1e-9)`.
#
# </details>

# %% [markdown]
# Two kinds of predictions can follow an exchange at position 9:
#
# - its **own** prediction of the next token. Here the pairs above would show nothing, since they predict alike. So for this one, and only here, each sequence gets the belief of another one with the same last token (`others_of`), whatever that predicts;
# - **later** predictions, at positions 10 to 15, in the pairs above. They can see position 9 by attention only. No later position reads the last block's output, so the exchange is made before block 1 or before block 2.

# %%
diagrams.diagram(
    {
        "tokens 0 to 9": (1.3, -1),
        "stream at 9": (0, 0),
        "streams at 10, 11, ...": (1.3, 0),
        "stream at 15": (2.6, 0),
        "own prediction": (0, 1),
        "a later prediction": (2.6, 1),
    },
    [
        ("tokens 0 to 9", "stream at 9", "block 0"),
        ("tokens 0 to 9", "streams at 10, 11, ...", "block 0"),
        ("tokens 0 to 9", "stream at 15", "block 0"),
        ("stream at 9", "own prediction"),
        ("stream at 9", "streams at 10, 11, ...", "blocks<br>1, 2"),
        ("streams at 10, 11, ...", "stream at 15", "blocks<br>1, 2"),
        ("stream at 15", "a later prediction"),
    ],
    title="Exchange the belief in the orange box: which predictions follow?",
    marked=["stream at 9"],
)

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


def span(found: list) -> str:
    """The lowest and the highest slope."""
    return f"{min(each.slope for each in found):z.2f} to {max(each.slope for each in found):z.2f}"


# %% [markdown]
# What is exchanged is the belief plane, or one of two directions in it. Along the **forgettable** direction the stream moves when the belief changes and P(tick) does not. The other one, of the **prediction**, belongs to the change of belief at right angles to that. A control is all but the plane, at the same position.

# %%
here = {at: planes[2][at]}
two = plane_directions(planes[2][at], slow)
parts = {
    "the belief plane": partial(plane_part, planes=here),
    "its direction of the prediction": partial(plane_part, planes={at: two["prediction"]}),
    "its forgettable direction": partial(plane_part, planes={at: two["forgettable"]}),
    "all but the plane": lambda d: at_positions(d, [at]) - plane_part(d, here),
}

# %%
predict(
    "24.exchange",
    "Exchange the belief at one position, before block 2. Which predictions follow the ideal observer at least half the way?",
    choices=["its own and later ones", "its own only", "later ones only", "neither"],
)

# %% tags=["folded"]
slopes = {
    name: {
        "own": follows(*own(part, 2)),
        "later": follows(*later(lambda d, t, part=part: part(d), 2)),
    }
    for name, part in parts.items()
}
draws = [
    partial(random_part, planes=here, generator=torch.Generator().manual_seed(100 + i))
    for i in range(20)
]
drawn_own = [follows(*own(part, 2)) for part in draws]
drawn_later = [follows(*later(lambda d, t, part=part: part(d), 2)) for part in draws]
follow = tuple(slopes["the belief plane"][what].slope >= 0.5 for what in ("own", "later"))
outcome(
    "24.exchange",
    {
        (True, True): "its own and later ones",
        (True, False): "its own only",
        (False, True): "later ones only",
        (False, False): "neither",
    }[follow],
)
rows = [
    (name, f"{length(parts[name], 2):.1f}", told(found["own"]), told(found["later"]))
    for name, found in slopes.items()
]
rows.append(("20 random planes", f"{length(draws[0], 2):.1f}", span(drawn_own), span(drawn_later)))
plots.table(
    rows,
    columns=[
        "exchanged at position 9,<br>before block 2",
        "length of<br>the change",
        "own prediction:<br>slope",
        "later predictions:<br>slope",
    ],
)

# %%
figures.responses(
    {
        "own, belief plane": own(parts["the belief plane"], 2)[::-1],
        "later, belief plane": later(lambda d, t: parts["the belief plane"](d), 2)[::-1],
        "own, all but the plane": own(parts["all but the plane"], 2)[::-1],
    },
    title="Exchanged at one position: its own prediction follows, later ones do not",
    x="change of the ideal observer's P(tick)",
    y="change of the transformer's",
)

# %% [markdown]
# A slope of 1 means: as far as the ideal observer. A slope of 0: not at all.
#
# - **What its own prediction needs is used.** Exchange two of 64 dimensions, and the prediction follows at **0.95**. "All but the plane" gives next to nothing, with a change of more than half the length; random planes, with changes as long, give `0.36` at most.
# - **That is the prediction, not yet the belief.** Split the plane: the direction of the prediction does it all, at **0.95**. The forgettable one gives nothing, neither here nor later. Before block 2 it can be decoded, and no use of it was found.
# - **This one position hands on nothing**, to predictions one to six steps later. (One position, at one distance: the whole stream at position 8 alone gives `0.06`.)
#
# Without the first result, the third would prove little: an exchange that does nothing anywhere may be a bad exchange.
#
# **Is the past handed on at all?** One position is not the past. Exchange more, but take care: the streams at positions 10, 11, ... have read tokens 0 to 9 already, in block 0, and a later position may read *those*. So score each later position t on its own, and exchange *all* positions before it, 0 to t - 1. Or exchange the stream of t itself, and none before it. Before block 1 these two together are all that it can use.


# %%
def earlier(columns: dict, part: Callable = plane_part) -> Callable:
    """The part in the planes of positions 0 to t - 1."""
    return lambda d, t: part(d, {i: columns[i] for i in range(t)})


def asked(layer: int) -> dict:
    """What is exchanged for the prediction at t, by what the table calls it."""
    in_planes = earlier(planes[layer])
    parts = {
        "0 to t - 1: whole streams": lambda d, t: at_positions(d, range(t)),
        "0 to t - 1: belief planes": in_planes,
        "0 to t - 1: all but the planes": lambda d, t: at_positions(d, range(t)) - in_planes(d, t),
        "t itself: whole stream": lambda d, t: at_positions(d, [t]),
        "0 to 9 only: belief planes": lambda d, t: in_planes(d, at + 1),
    }
    split = {i: plane_directions(plane, slow) for i, plane in planes[layer].items()}
    for name in ("prediction", "forgettable"):
        parts[f"0 to t - 1: {name} direction"] = earlier({i: s[name] for i, s in split.items()})
    return parts


# %%
predict(
    "24.handed",
    "Exchange all earlier positions before block 1, and not the position's own stream. How far do later predictions follow?",
    choices=["hardly: slope below .2", "in part: .2 to .7", "nearly all the way: above .7"],
)


# %% tags=["folded"]
handed = {
    layer: {n: follows(*later(p, layer)) for n, p in asked(layer).items()} for layer in (1, 2)
}
drawn_handed = {
    layer: [
        follows(*later(earlier(planes[layer], partial(random_part, generator=draw)), layer))
        for draw in (torch.Generator().manual_seed(200 + i) for i in range(5))
    ]
    for layer in (1, 2)
}
from_tokens = follows(*later(lambda d, t: at_positions(d, range(at + 1)), 0))
share = handed[1]["0 to t - 1: whole streams"].slope
outcome(
    "24.handed",
    "hardly: slope below .2"
    if share < 0.2
    else "in part: .2 to .7"
    if share <= 0.7
    else "nearly all the way: above .7",
)
rows = [(name, told(handed[1][name]), told(handed[2][name])) for name in handed[1]]
rows.append(("0 to t - 1: 5 random planes", *(span(drawn_handed[layer]) for layer in (1, 2))))
plots.table(
    rows, columns=["exchanged, for the prediction at t", "before block 1", "before block 2"]
)
print("tokens 0 to 9 exchanged, before block 0:", told(from_tokens))

# %% [markdown]
# - **Before block 1, nearly half is handed on**: **0.42** comes by the streams of earlier positions, **0.51** by the position's own, which block 0 has filled from the tokens. The two make up the `0.92` of exchanged tokens. What is handed on lies in the belief planes; without them the slope is about 0.
# - **Split, the direction of the prediction carries more**: `0.28`, and the forgettable one `0.12`. Random planes, as long as the whole plane's part, give up to `0.08`, so little can be said for the second here; in another training it carries `0.44`.
# - **Before block 2, less is left to hand on**: **0.16**, against **0.77** from its own stream.
# - **A control can leak.** Exchanging positions 0 to 9 only, before block 1, gives `0.23`. That is too low a number for "handed on", since positions 10 to t - 1 still hold what they had read.
#
# So block 0 collects tokens, block 1 passes belief between positions, and block 2 works mostly on what a position already has. Your filter would hand on everything, at every step. Piotrowski and colleagues (2025, arXiv 2502.01954) study one-layer transformers, where attention updates the belief from all tokens in parallel. The half that does not pass through earlier positions may be such an update. The other half takes a second step.
#
# Two more trainings share the work otherwise: before block 1, earlier positions carry `0.30` and `0.68`, before block 2 `0.06` and `0.12` (*Going deeper*).
#
# **What this does not show.** An exchange makes a stream disagree with its tokens or its neighbours; a model with two sources might trust the other one. That a share passes through the belief planes does not say that the heads apply Bayes' rule to it. And in this small model the belief plane is nearly the plane of largest variance (*Going deeper*).

# %% tags=["numbers"]
plane, rest = slopes["the belief plane"], slopes["all but the plane"]
claim("own, plane, before block 2", plane["own"].slope, text=0.95, within=0.05)
of_direction = {
    name: slopes[f"its {name}"] for name in ("direction of the prediction", "forgettable direction")
}
claim(
    "own, prediction",
    of_direction["direction of the prediction"]["own"].slope,
    text=0.95,
    within=0.06,
)
assert all(abs(each.slope) < 0.03 for each in of_direction["forgettable direction"].values())
assert all(abs(found["later"].slope) < 0.01 for found in slopes.values())
assert abs(rest["own"].slope) < 0.1 and length(parts["all but the plane"], 2) < length(draws[0], 2)
assert max(abs(each.slope) for each in drawn_own) < 0.45
assert max(abs(each.slope) for each in drawn_later) < 0.02
assert abs(from_tokens.slope - 0.92) < 0.04
claim("handed on, block 1", share, text=0.42, within=0.03)
claim("own stream, block 1", handed[1]["t itself: whole stream"].slope, text=0.51, within=0.03)
assert abs(share + handed[1]["t itself: whole stream"].slope - from_tokens.slope) < 0.05
assert abs(handed[1]["0 to t - 1: belief planes"].slope - share) < 0.04
assert abs(handed[1]["0 to t - 1: all but the planes"].slope) < 0.05
by_direction = {n: handed[1][f"0 to t - 1: {n} direction"] for n in ("prediction", "forgettable")}
assert 0.22 < by_direction["prediction"].slope < 0.34
assert 0.07 < by_direction["forgettable"].slope < 0.17
claim("handed on, block 2", handed[2]["0 to t - 1: whole streams"].slope, text=0.16, within=0.023)
claim("own stream, block 2", handed[2]["t itself: whole stream"].slope, text=0.77, within=0.04)
assert 0.19 < handed[1]["0 to 9 only: belief planes"].slope < 0.27
assert max(abs(each.slope) for each in drawn_handed[1]) < 0.15

# %% [markdown]
# ## 5. Three recordings
#
# ### Investigation · who recorded this? (7 minutes, medium)
#
# Three recordings, A, B and C, hold 64 numbers for each of the same sequences of the slow clock. One is the stream before block 1 of the *trained* transformer. One is that of an *untrained* one. One is an ideal observer's belief, in random directions, who remembers only the last `k` tokens. You have **five readings**:
# `recordings.read("A", "belief")` gives the R2 of the belief, and `recordings.read("A", 0)` the R2 of the last token, `1` that of the one before it, up to `15`. Which recording is the trained model's, and what is `k`? Answer with a dictionary, such as `{"trained": "A", "k": 4}`, or with the pair `("A", 4)`. What an observer with `k` tokens of memory knows of the belief, you can compute: `remembered(longest, k, slow)` is its belief, and `r_squared(it, beliefs(longest, slow)[:, -1])` its R2.

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
    budget=5,
)
print(f"{recordings.left} readings left")

# %%
# Your readings, one at a time, such as `recordings.read("A", 0)`.

# %% tags=["answer:recorded"]
### BEGIN SOLUTION
recorded = {"trained": "C", "k": 9}
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
# Read a token that is twelve back from each recording. One recording knows nothing of it, one nearly everything. Then read the belief from the one that forgets, and compare that R2 with `remembered` for each `k`.
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
mine, memory = recorded["trained"], recorded["k"]
tokens_of = {name: [again.read(name, back) for back in range(16)] for name in "ABC"}
assert tokens_of[mine][3] < 0.3 < 0.9 < tokens_of[mine][4]
(forgetful,) = [name for name in "ABC" if tokens_of[name][15] < 0.05]
assert tokens_of[forgetful][memory - 1] > 0.1 > 0.05 > max(tokens_of[forgetful][memory:])
(random_one,) = set("ABC") - {mine, forgetful}
assert min(tokens_of[random_one]) > 0.9

# %% [markdown]
# The untrained model keeps *every* token, which is why it reads so well. The trained one has already lost some at this place, every third token back, and its stream tells less of the belief than the untrained one's. Why every third? See the next section.
#
# ## Going deeper: what the heads look at
#
# Block 0 can only collect tokens; block 1 can read what block 0 has collected elsewhere. Where do they look? How much does a head attend to the token 0, 1, 2, ... positions back?
#
# ### Exercise 6 · attention by distance (8 minutes, medium)


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


combs = {
    f"block {layer}, head {head}": attention(clock["trained"], layer)[head, :13]
    for layer in (0, 1)
    for head in (0, 1)
} | {"untrained, block 0": attention(clock["untrained"], 0)[0, :13]}
plots.lines(
    combs,
    title="Block 0 attends to every third token, block 1 to its neighbours",
    x="tokens back",
    y="mean attention",
)

# %% [markdown]
# The clock has three states and hardly ever rests, so it comes round every three steps. One head attends to the tokens 1, 4, 7, ... back, the other to 2, 5, 8, ...: each collects how often there were ticks in one phase, with less weight for older ones. The third phase, 3, 6, 9, ..., is left out; the position's own token is kept by the stream. An untrained model attends nearly evenly. (Two other trainings have
# heads with period three too, which share the phases in other ways.)
#
# Block 1 gives **0.76** of its attention to the positions one and two back. In the streams there, block 0 has collected the other phases. That fits the exchange, in which earlier positions hand on nearly half.
#
# **Task.** Draw block 2, and the heads of Mess3's model (`three["trained"]`, on `three["tokens"]`). Mess3 has no period. What do its heads do instead?

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
# ## Going deeper: the weights that read are not the directions that write
#
# A probe's weights were fitted to *read* the belief: stream to belief. The plane above was fitted the other way: belief to stream. Both are regressions between the same two things. Does it matter which one is exchanged?

# %%
name = "blocks.2.hook_resid_pre"
with torch.no_grad():
    stream = model.run_with_cache(pairs.others, names_filter=[name])[1][name][:, at]
reader = ridge(stream, beliefs(pairs.others, slow)[:, at], penalty=1e-3)
_, _, components = torch.pca_lowrank(stream.double(), q=2)
candidates = {
    "directions that move with the belief": planes[2][at],
    "weights that read the belief": reader.weights[:, :2],
    "first two principal components": components,
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
# The probe's own weights move nothing. The readout reads the belief well, and along its weights the stream hardly varies. To read one thing among others that vary together with it, a regression puts weight on small differences that cancel the rest (Haufe and colleagues, 2014, call the two *filter* and *pattern*). An intervention along a probe's weights can fail
# although the belief is used.
#
# The third row is a warning of another kind. The plane of largest variance does as well as the belief plane, since in this small model they nearly coincide.
#
# **Task.** Repeat the table before block 1, and with `penalty=1e3` in the `ridge`. A larger penalty turns the weights towards large variance. What happens to the slope, and to the length?

# %% tags=["numbers"]
assert follows(*own(along["weights that read the belief"], 2)).slope < 0.1
assert follows(*own(along["first two principal components"], 2)).slope > 0.7

# %% [markdown]
# ## Going deeper: other trainings, and a quicker clock
#
# Another clock moves on with probability `0.8` only, and ticks with `0.85` in state 0 and `0.15` in the others. What may be forgotten here?

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
# This clock rests more often, so a tick is likelier after state 0 than after state 1; both are far from state 2. What may be forgotten lies along `(-1, 0.75, 0.25)`, mostly the difference of 0 and 1. It forgets quickly: a memory of six tokens reads this clock's belief as well as the model does, so R2 cannot tell them apart. That is why the core has a slow clock.
#
# The same exchanges, in three trainings of each clock, from `data/beliefs/seeds.json`:

# %%
kept = json.loads((root / "data" / "beliefs" / "seeds.json").read_text())
by_seed = {
    (process, seed): kept[f"{process}, seed {seed}"]["exchanges"]
    for process in ("slow_clock", "clock")
    for seed in (0, 1, 2)
}
asked = {
    "own: belief plane, before block 2": ("layer 2, one position, plane", "own"),
    "own: prediction direction": ("layer 2, one position, prediction", "own"),
    "own: forgettable direction": ("layer 2, one position, forgettable", "own"),
    "later, before block 1: 0 to t - 1": ("layer 1, earlier positions, stream", "later"),
    "the same, belief planes": ("layer 1, earlier positions, plane", "later"),
    "the same, forgettable direction": ("layer 1, earlier positions, forgettable", "later"),
    "later, before block 1: t itself": ("layer 1, the position itself, stream", "later"),
    "later, before block 2: 0 to t - 1": ("layer 2, earlier positions, stream", "later"),
    "later, before block 2: t itself": ("layer 2, the position itself, stream", "later"),
    "later: tokens 0 to 9": ("layer 0, positions 0 to 9, stream", "later"),
}
plots.table(
    [
        (title, *(f"{each[what][when][0]:z.2f}" for each in by_seed.values()))
        for title, (what, when) in asked.items()
    ],
    columns=["slope", *(f"{process.replace('_', ' ')}, seed {seed}" for process, seed in by_seed)],
)

# %% [markdown]
# In all six, a position's own prediction follows the direction of the prediction (`0.61` or more), and hardly the forgettable one (`0.09` at most). They differ in how much earlier positions hand on before block 1: **0.30** to **0.79** of the way, most with the quicker clock. The forgettable direction carries up to **0.44** of it in one training, and about nothing in two.
#
# **Task.** Run the core's exchange on the quick clock: `clock = study("clock")`, `pairs = equal_predictions(quick, ...)`, and so on. Which distance do its heads attend to?

# %% tags=["numbers"]
handed_on = [each["layer 1, earlier positions, stream"]["later"][0] for each in by_seed.values()]
claim("handed on, least", min(handed_on), text=0.30, within=0.01)
claim("handed on, most", max(handed_on), text=0.79, within=0.01)
of_forgettable = [
    each["layer 1, earlier positions, forgettable"]["later"][0] for each in by_seed.values()
]
claim("forgettable, most", max(of_forgettable), text=0.44, within=0.01)
assert sorted(of_forgettable)[1] < 0.03
for each in by_seed.values():
    assert each["layer 2, one position, prediction"]["own"][0] > 0.6
    assert abs(each["layer 2, one position, forgettable"]["own"][0]) < 0.1
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
            "exchange before block 2: own prediction",
            told(slopes["its direction of the prediction"]["own"]),
            told(slopes["its forgettable direction"]["own"]) + " forgettable direction",
            "",
        ),
        (
            "later predictions: handed on before block 1",
            told(handed[1]["0 to t - 1: whole streams"]),
            told(handed[1]["t itself: whole stream"]) + " own stream",
            "parallel updates, in one layer (Piotrowski et al.)",
        ),
        (
            "later predictions: handed on before block 2",
            told(handed[2]["0 to t - 1: whole streams"]),
            told(handed[2]["t itself: whole stream"]) + " own stream",
            "",
        ),
    ],
    columns=["", "ours (3 layers, width 64)", "control", "paper"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. For which processes does a good prediction force the whole belief? What about English?
# 2. Why does training put the forgettable half of the belief into the stream before block 2, if nothing later reads it there?
# 3. What would the table of earlier positions show for a recurrent network? And for a transformer with one block?
# 4. What would you exchange to test a belief in a large language model?
#
# ## Common mistakes
#
# - Forgetting that the token comes after the move: then the clock is explained backwards.
# - Splitting rows where contexts repeat.
# - Calling a high R2 evidence without the untrained model, the tokens and the short memories beside it.
# - Exchanging along a probe's weights, and concluding from "no effect" that nothing is used.
# - Reporting "no effect" of an edit without a place where the same edit works.
# - Exchanging some positions, while others that were not exchanged still hold the same information.
#
# ## Where this breaks
#
# Three layers, two processes of our own and one from the paper, sequences of 16 tokens, all of which stay in view: there is no need to hand on a belief. Slopes are of one kind of pair, and how much is handed on differs between trainings.
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
