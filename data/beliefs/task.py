"""Hidden Markov processes that emit tokens, and what an ideal observer of the tokens believes.

A process is one tensor `T` [token, state, next_state]: `T[a, i, j]` is the probability to move from
state i to j, and emit token a there. A belief is a row of probabilities over states.
Source: Shai et al., 2024 (arXiv 2405.15943).
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import Guard, axes, count, guarded


def process(T: Tensor, _: Mapping) -> str | None:
    """A guard: the probabilities of a token and a next state, given each state."""
    if T.ndim != 3 or T.shape[1] != T.shape[2]:
        return f"has shape {tuple(T.shape)}, and must be [token, state, next state]"
    fine = bool((T >= 0).all()) and torch.allclose(T.sum((0, 2)), T.new_ones(T.shape[1]), atol=1e-4)
    return None if fine else "is no process: from each state the probabilities sum to 1"


def known_tokens(tokens: Tensor, given: Mapping) -> str | None:
    """A guard: tokens of the process `T`, or from 0 up to `n_tokens`."""
    n = given["n_tokens"] if "n_tokens" in given else len(given["T"])
    fine = not tokens.is_floating_point() and bool(((tokens >= 0) & (tokens < n)).all())
    return None if fine else f"must hold whole numbers from 0 to {n - 1}"


def last_of(tokens: str = "tokens") -> Guard:
    """A guard: how many of the last tokens, from 1 to all of them."""

    def guard(k: int, given: Mapping) -> str | None:
        n = given[tokens].shape[1]
        return None if 1 <= k <= n else f"is {k}: the sequences have 1 to {n} last tokens"

    return guard


def distributions(belief: Tensor, given: Mapping) -> str | None:
    """A guard: each row the probabilities of the states of the process `T`."""
    if belief.shape[-1] != given["T"].shape[1]:
        return f"has shape {tuple(belief.shape)}, and the process {given['T'].shape[1]} states"
    sums = belief.sum(-1)
    fine = bool((belief >= -1e-6).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    return None if fine else "is no belief: probabilities, and each row sums to 1"


def _likely(tokens: Tensor, given: Mapping) -> str | None:
    T = given["T"]
    weight = T.new_ones(len(tokens), T.shape[1])
    for token in tokens.T:
        weight = torch.einsum("bi,bij->bj", weight, T[token])
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-300)
    never = (weight.sum(-1) <= 0).nonzero()[:, 0].tolist()
    return f"is impossible in row {never[0]}: no state emits what it holds" if never else None


def mess3(*, alpha: float = 0.85, x: float = 0.05) -> Float[Tensor, "token=3 state=3 next=3"]:
    """Mess3: three states in a ring, three tokens. The state moves, then the new state speaks.

    It moves to each other state with probability `x`; in state j it emits token j with probability
    `alpha`, and each other token with half the rest. The defaults are Shai et al.'s.

    Raises:
        ValueError: the numbers are no probabilities.
    """
    if not (0 <= alpha <= 1 and 0 <= x <= 0.5):
        raise ValueError("alpha must lie between 0 and 1, and x between 0 and 0.5.")
    eye = torch.eye(3, dtype=torch.float64)
    move = x + (1 - 3 * x) * eye
    emit = (1 - alpha) / 2 + (alpha - (1 - alpha) / 2) * eye  # [state, token]
    return move[None] * emit.T[:, None, :]


def clock(
    *, move: float = 0.8, high: float = 0.85, low: float = 0.15
) -> Float[Tensor, "token=2 state=3 next=3"]:
    """A noisy clock: three states in turn, two tokens, so the next token cannot tell the state.

    Each step goes on to the next state with probability `move` and rests otherwise; then state 0
    emits token 1 ("tick") with probability `high`, the other two with probability `low`.

    Raises:
        ValueError: the numbers are no probabilities.
    """
    if not all(0 <= p <= 1 for p in (move, high, low)):
        raise ValueError("move, high and low are probabilities: numbers between 0 and 1.")
    eye = torch.eye(3, dtype=torch.float64)
    moves = (1 - move) * eye + move * eye.roll(1, dims=1)
    tick = torch.tensor([high, low, low], dtype=torch.float64)
    return moves[None] * torch.stack([1 - tick, tick])[:, None, :]


def slow_clock() -> Float[Tensor, "token=2 state=3 next=3"]:
    """A clock that hardly ever rests, and whose tokens say little: its past matters for long."""
    return clock(move=0.97, high=0.7, low=0.3)


PROCESSES = {"mess3": mess3, "clock": clock, "slow_clock": slow_clock}


@guarded(T=process)
def stationary(T: Float[Tensor, "token state next"]) -> Float[Tensor, " state"]:
    """The distribution over states that the process keeps: where a belief starts.

    Raises:
        ValueError: there is more than one, as where a state is never left.
    """
    move = T.sum(0)
    n_states = len(move)
    # pi (move - 1) = 0 and sum(pi) = 1, solved together.
    system = torch.cat([(move - torch.eye(n_states, dtype=T.dtype)).T, torch.ones(1, n_states)])
    if torch.linalg.matrix_rank(system) < n_states:
        raise ValueError("The process keeps more than one distribution: connect its states.")
    right = torch.zeros(n_states + 1, 1, dtype=T.dtype)
    right[-1] = 1
    return torch.linalg.lstsq(system.to(T.dtype), right).solution[:, 0]


@guarded(T=process, tokens=(axes(2), known_tokens, _likely))
def beliefs(
    tokens: Int[Tensor, "batch pos"], T: Float[Tensor, "token state next"]
) -> Float[Tensor, "batch pos state"]:
    """What an ideal observer believes after each token; before the first it is `stationary(T)`.

    Args:
        T: `T[a, i, j]` is the probability to move from state i to j, and emit token a there.
    """
    belief = stationary(T).expand(len(tokens), -1)
    found = []
    for token in tokens.T:
        joint = torch.einsum("bi,bij->bj", belief, T[token])
        belief = joint / joint.sum(-1, keepdim=True)
        found.append(belief)
    return torch.stack(found, dim=1)


@guarded(tokens=axes(2), k=last_of())
def remembered(
    tokens: Int[Tensor, "batch pos"], k: int, T: Float[Tensor, "token state next"]
) -> Float[Tensor, "batch state"]:
    """What an ideal observer believes at the end who knows the last `k` tokens and no others.

    It is right to start from the stationary belief `k` tokens ago, since the process keeps it.
    """
    return beliefs(tokens[:, -k:], T)[:, -1]


@guarded(T=process, belief=distributions)
def next_token_probs(
    belief: Float[Tensor, "... state"], T: Float[Tensor, "token state next"]
) -> Float[Tensor, "... token"]:
    """The best possible prediction of the next token, given a belief: a linear map of it."""
    return belief @ T.sum(-1).T


def _a_belief_each(start: Tensor, given: Mapping) -> str | None:
    n = given["n"]
    return None if len(start) == n else f"has {len(start)} rows, and {n} sequences are asked for"


@guarded(T=process, n=count(), length=count(), start=(axes(2), distributions, _a_belief_each))
def sample_tokens(
    T: Float[Tensor, "token state next"],
    n: int,
    *,
    length: int,
    generator: torch.Generator,
    start: Float[Tensor, "n state"] | None = None,
) -> Int[Tensor, "n length"]:
    """Token sequences of the process.

    Args:
        start: for each sequence the distribution of its first state; the stationary one if None.
    """
    n_states = T.shape[1]
    if start is None:
        state = torch.multinomial(stationary(T), n, replacement=True, generator=generator)
    else:
        state = torch.multinomial(start, 1, generator=generator)[:, 0]
    joint = T.permute(1, 0, 2).flatten(1)  # [state, token * next]
    tokens = []
    for _ in range(length):
        drawn = torch.multinomial(joint[state], 1, generator=generator)[:, 0]
        tokens.append(drawn // n_states)
        state = drawn % n_states
    return torch.stack(tokens, dim=1)
