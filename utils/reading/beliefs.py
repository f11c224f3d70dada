"""How close a model comes to `data.beliefs.task`'s ideal observer, and what it holds of beliefs.

Source: Shai et al., 2024 (arXiv 2405.15943).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.beliefs.task import (
    beliefs,
    distributions,
    known_tokens,
    last_of,
    next_token_probs,
    process,
    remembered,
    sample_tokens,
)
from utils.guards import (
    as_long_as,
    axes,
    count,
    filled,
    finite,
    floating,
    guarded,
    number,
    shaped_as,
)
from utils.reading.linear import r_squared, ridge

_WINDOW = {"tokens": (axes(2), known_tokens), "n_tokens": count()}


def _corners(belief: Tensor, _: Mapping) -> str | None:
    n = belief.shape[-1]
    return None if n == 3 else f"is over {n} states, and a triangle has 3 corners"


def _some_twice(group: Tensor, _: Mapping) -> str | None:
    alone = len(group.unique()) == len(group)
    return "holds every number once: inside such groups nothing varies" if alone else None


def _few_windows(k: int, given: Mapping) -> str | None:
    n = given["n_tokens"] ** k
    return f"is {k}: {n:,} columns, one for each window, are too many" if n > 100_000 else None


def _known_positions(memories: Sequence[int], given: Mapping) -> str | None:
    bad = [k for k in memories if not 1 <= k <= given["length"]]
    return f"holds {bad[0]}, and the sequences have {given['length']} tokens" if bad else None


def _two_halves(features: Mapping, given: Mapping) -> str | None:
    rows = [len(tokens) for tokens in given["halves"]]
    for name, pair in features.items():
        found = [len(values) for values in pair]
        if len(rows) != 2 or found != rows:
            return f"has {found} rows in {name!r}, and `halves` {rows}: give two parts of each"
    return None


@guarded(belief=(floating, _corners, finite))
def simplex_xy(belief: Float[Tensor, "... state=3"]) -> Float[Tensor, "... xy=2"]:
    """Where to draw a belief over three states: a triangle with its corners at height 0, 0, 1.

    State 0 is the left corner (0, 0), state 1 the right (2 / sqrt 3, 0), state 2 the top.
    """
    corners = torch.tensor([[0, 0], [2 / 3**0.5, 0], [1 / 3**0.5, 1]], dtype=belief.dtype)
    return belief @ corners.to(belief.device)


@guarded(
    predicted=axes(2),
    targets=(shaped_as("predicted"), finite),
    group=(axes(1), as_long_as("targets"), _some_twice),
)
def r_squared_within(
    predicted: Float[Tensor, "example target"],
    targets: Float[Tensor, "example target"],
    group: Int[Tensor, " example"],
) -> float:
    """Share of the variance *inside* groups, such as of examples with equal last tokens.

    Whoever knows the group and nothing else, and predicts its mean, has 0. Errors between groups
    count too: give every predictor that you compare the group (`join_last_tokens`), or this is
    `utils.reading.linear.r_squared` on another scale.
    """
    _, index = group.unique(return_inverse=True)
    total = torch.zeros(int(index.max()) + 1, targets.shape[1], dtype=targets.dtype)
    total.index_add_(0, index, targets)
    means = (total / index.bincount()[:, None])[index]
    return r_squared(predicted - means, targets - means)


@guarded(**_WINDOW, k=last_of())
def last_tokens(
    tokens: Int[Tensor, "batch pos"], k: int, *, n_tokens: int
) -> Int[Tensor, " batch"]:
    """A number for the last `k` tokens of each sequence, from 0 up to `n_tokens ** k`."""
    place = n_tokens ** torch.arange(k, device=tokens.device)
    return (tokens[:, tokens.shape[1] - k :].flip(1) * place).sum(-1)


@guarded(features=(axes(2), as_long_as("tokens"), finite), **_WINDOW, k=(last_of(), _few_windows))
def join_last_tokens(
    features: Float[Tensor, "batch feature"],
    tokens: Int[Tensor, "batch pos"],
    k: int,
    *,
    n_tokens: int,
) -> Float[Tensor, "batch feature_and_window"]:
    """The features, and beside them a one-hot of the last `k` tokens, all `n_tokens ** k` of them.

    A probe on these knows the last `k` tokens, whatever the features are.
    """
    code = last_tokens(tokens, k, n_tokens=n_tokens)
    window = torch.nn.functional.one_hot(code, n_tokens**k)
    return torch.cat([features.double(), window.double()], dim=1)


@guarded(**_WINDOW, k=last_of())
def token_pairs(
    tokens: Int[Tensor, "batch pos"], k: int, *, n_tokens: int
) -> Float[Tensor, "batch feature"]:
    """One-hots of the last `k` tokens (one column of each left out) and all products of two."""
    one_hot = torch.nn.functional.one_hot(tokens[:, -k:], n_tokens)[..., 1:].flatten(1).double()
    first, second = torch.combinations(torch.arange(one_hot.shape[1])).T
    return torch.cat([one_hot, one_hot[:, first] * one_hot[:, second]], dim=1)


@guarded(T=process, belief=distributions, logits=finite)
def excess_loss(
    logits: Float[Tensor, "*batch token"],
    belief: Float[Tensor, "*batch state"],
    T: Float[Tensor, "token state next"],
) -> Float[Tensor, "*batch"]:
    """Nats by which a prediction's expected loss exceeds the ideal observer's (a KL divergence).

    Raises:
        ValueError: there is not one logit for each token at each of the beliefs.
    """
    best = next_token_probs(belief, T)
    if logits.shape != best.shape:
        shapes = tuple(logits.shape), tuple(best.shape)
        raise ValueError(f"`logits` has shape {shapes[0]}, and these beliefs want {shapes[1]}.")
    log_probs = logits.to(best).log_softmax(-1)
    return (torch.xlogy(best, best) - best * log_probs).sum(-1)


@guarded(T=process, n=count(), length=count(), memories=_known_positions)
@torch.no_grad()
def excess_by_observer(
    T: Float[Tensor, "token state next"],
    models: Mapping[str, Callable[[Tensor], Tensor]],
    *,
    memories: Sequence[int],
    n: int = 4000,
    length: int = 16,
    generator: torch.Generator,
) -> dict[str, float]:
    """Millinats above the ideal observer at the end of `n` new sequences, by who predicts.

    That is each of the models, and as `last k tokens` an ideal observer who remembers k of them.
    """
    tokens = sample_tokens(T, n, length=length, generator=generator)
    ideal = beliefs(tokens, T)[:, -1]
    guesses = {name: model(tokens)[:, -1] for name, model in models.items()}
    for k in memories:
        guesses[f"last {k} tokens"] = next_token_probs(remembered(tokens, k, T), T).log()
    return {
        name: 1000 * excess_loss(guess, ideal, T).mean().item() for name, guess in guesses.items()
    }


@dataclass(frozen=True)
class Reading:
    """What a linear probe finds of the beliefs, on sequences that it was not fitted to.

    Attributes:
        predicted: the beliefs that it predicts.
        r2: share of the beliefs' variance that it explains.
        beyond: share of the variance among sequences with equal last tokens that a probe explains
            which is also told these tokens.
    """

    predicted: Float[Tensor, "sequence state"]
    r2: float
    beyond: float


@guarded(T=process, features=(filled, _two_halves), penalty=number(low=0))
def read_beliefs(
    features: Mapping[str, Sequence[Float[Tensor, "_sequence _feature"]]],
    halves: Sequence[Int[Tensor, "_sequence pos"]],
    T: Float[Tensor, "token state next"],
    *,
    known: int = 3,
    penalty: float = 1e-6,
) -> dict[str, Reading]:
    """Probes for the belief at the end of sequences, from several kinds of features.

    Args:
        features: name -> features of the sequences to fit on, and of those to test on.
        halves: the tokens of both.
        known: how many last tokens every probe is told for `Reading.beyond`.
        penalty: see `utils.reading.linear.ridge`.
    """
    belief, truth = (beliefs(tokens, T)[:, -1] for tokens in halves)
    window = last_tokens(halves[1], known, n_tokens=len(T))
    found = {}
    for name, pair in features.items():
        fit, test = (values.double().cpu() for values in pair)
        predicted = ridge(fit, belief, penalty=penalty)(test)
        fit, test = (
            join_last_tokens(values, tokens, known, n_tokens=len(T))
            for values, tokens in zip((fit, test), halves, strict=True)
        )
        told = ridge(fit, belief, penalty=penalty)(test)
        found[name] = Reading(
            predicted, r_squared(predicted, truth), r_squared_within(told, truth, window)
        )
    return found


@guarded(
    predicted=finite,
    full=(shaped_as("predicted"), finite),
    short=(shaped_as("predicted"), finite),
)
def slope_beyond(
    predicted: Float[Tensor, "sequence state"],
    full: Float[Tensor, "sequence state"],
    short: Float[Tensor, "sequence state"],
) -> float:
    """How far a prediction goes along from the belief of a short memory (0) to the full one (1).

    Raises:
        ValueError: the two beliefs are the same.
    """
    older = full - short
    if not older.any():
        raise ValueError("The short memory believes what the full one does: take a shorter one.")
    return ((predicted - short) * older).sum().div(older.pow(2).sum()).item()
