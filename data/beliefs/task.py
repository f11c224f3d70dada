"""Hidden Markov processes that emit tokens, and what an ideal observer of the tokens believes.

A process is one tensor `T` [token, state, next_state]: `T[a, i, j]` is the probability that a
hidden state i emits token a and moves to state j. A belief is a row of probabilities over states.
Source: Shai et al., 2024 (arXiv 2405.15943).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


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


PROCESSES = {"mess3": mess3, "clock": clock}


def stationary(T: Float[Tensor, "token state next"]) -> Float[Tensor, " state"]:
    """The distribution over states that the process keeps: where a belief starts."""
    move = T.sum(0)
    n_states = len(move)
    # pi (move - 1) = 0 and sum(pi) = 1, solved together.
    system = torch.cat([(move - torch.eye(n_states, dtype=T.dtype)).T, torch.ones(1, n_states)])
    right = torch.zeros(n_states + 1, 1, dtype=T.dtype)
    right[-1] = 1
    return torch.linalg.lstsq(system.to(T.dtype), right).solution[:, 0]


def belief_update(
    belief: Float[Tensor, "batch state"],
    token: Int[Tensor, " batch"],
    T: Float[Tensor, "token state next"],
) -> Float[Tensor, "batch state"]:
    """The ideal observer's belief after one more token.

    Args:
        belief: the belief before the token; rows sum to 1.
        token: ids; each row has its own.
        T: `T[a, i, j]` is the probability that state i emits token a and moves to state j.
    """
    joint = torch.einsum("bi,bij->bj", belief, T[token])
    return joint / joint.sum(-1, keepdim=True)


def beliefs(
    tokens: Int[Tensor, "batch pos"], T: Float[Tensor, "token state next"]
) -> Float[Tensor, "batch pos state"]:
    """The belief after each token, from the stationary one on: what an ideal observer knows."""
    belief = stationary(T).expand(len(tokens), -1)
    found = []
    for token in tokens.T:
        belief = belief_update(belief, token, T)
        found.append(belief)
    return torch.stack(found, dim=1)


def remembered(
    tokens: Int[Tensor, "batch pos"], k: int, T: Float[Tensor, "token state next"]
) -> Float[Tensor, "batch state"]:
    """What an ideal observer believes at the end who knows the last `k` tokens and no others.

    It is right to start from the stationary belief `k` tokens ago, since the process keeps it.
    """
    return beliefs(tokens[:, -k:], T)[:, -1]


def next_token_probs(
    belief: Float[Tensor, "... state"], T: Float[Tensor, "token state next"]
) -> Float[Tensor, "... token"]:
    """The best possible prediction of the next token, given a belief: a linear map of it."""
    return belief @ T.sum(-1).T


def sample_tokens(
    T: Float[Tensor, "token state next"], n: int, *, length: int, generator: torch.Generator
) -> Int[Tensor, "n length"]:
    """Token sequences of the process, started from its stationary distribution."""
    n_states = T.shape[1]
    state = torch.multinomial(stationary(T), n, replacement=True, generator=generator)
    joint = T.permute(1, 0, 2).flatten(1)  # [state, token * next]
    tokens = []
    for _ in range(length):
        drawn = torch.multinomial(joint[state], 1, generator=generator)[:, 0]
        tokens.append(drawn // n_states)
        state = drawn % n_states
    return torch.stack(tokens, dim=1)
