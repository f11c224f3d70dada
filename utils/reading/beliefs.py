"""How close a model comes to `data.beliefs.task`'s ideal observer, and what it does with beliefs.

Source: Shai et al., 2024 (arXiv 2405.15943).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
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
    layer_of,
    shaped_as,
)
from utils.reading.linear import r_squared, ridge
from utils.stats import Interval, bootstrap

_WINDOW = {"tokens": (axes(2), known_tokens), "n_tokens": count()}


def _corners(belief: Tensor, _: Mapping) -> str | None:
    n = belief.shape[-1]
    return None if n == 3 else f"is over {n} states, and a triangle has 3 corners"


def _two_contexts(contexts: Tensor, _: Mapping) -> str | None:
    alone = bool((contexts == contexts[:1]).all())
    return "are all the same: half of them are to be left out" if alone else None


def _both_sides(held_out: Tensor, _: Mapping) -> str | None:
    if held_out.dtype != torch.bool:
        return "should be boolean, True for the rows that are held out"
    return None if 0 < int(held_out.sum()) < len(held_out) else "has all rows on one side"


def _bins_of_several(n_bins: int, given: Mapping) -> str | None:
    n = len(given["predicted"])
    return None if 2 * n_bins <= n else f"is {n_bins}, for {n} rows: give each bin two or more"


def _beyond_n(length: int, given: Mapping) -> str | None:
    return None if length > given["n"] else f"is {length}: it must be more than n, {given['n']}"


def _planes_of_difference(planes: Mapping, given: Mapping) -> str | None:
    _, n, d = given["difference"].shape
    for at, columns in planes.items():
        if not 0 <= at < n:
            return f"has a plane at position {at}, and positions run from 0 to {n - 1}"
        if columns.ndim != 2 or len(columns) != d:
            return f"has shape {tuple(columns.shape)} at position {at}: give columns of {d} numbers"
    return None


def _of_difference(positions: Sequence[int], given: Mapping) -> str | None:
    n = given["difference"].shape[1]
    bad = [at for at in positions if not 0 <= at < n]
    return f"holds {bad[0]}, and positions run from 0 to {n - 1}" if bad else None


def _of_beginnings(distances: Sequence[int], given: Mapping) -> str | None:
    n = given["pairs"].at + 1
    bad = [distance for distance in distances if not 0 <= distance <= n]
    return f"holds {bad[0]}: a first later prediction has {n} positions before it" if bad else None


def _columns_of_belief(plane: Tensor, given: Mapping) -> str | None:
    n = given["T"].shape[1] - 1
    return None if plane.shape[1] == n else f"has {plane.shape[1]} columns, and should have {n}"


def _known_positions(memories: Sequence[int], given: Mapping) -> str | None:
    bad = [k for k in memories if not 1 <= k <= given["length"]]
    return f"holds {bad[0]}, and the sequences have {given['length']} tokens" if bad else None


@guarded(belief=(floating, _corners, finite))
def simplex_xy(belief: Float[Tensor, "... state=3"]) -> Float[Tensor, "... xy=2"]:
    """Where to draw a belief over three states: a triangle with its corners at height 0, 0, 1.

    State 0 is the left corner (0, 0), state 1 the right (2 / sqrt 3, 0), state 2 the top.
    """
    corners = torch.tensor([[0, 0], [2 / 3**0.5, 0], [1 / 3**0.5, 1]], dtype=belief.dtype)
    return belief @ corners.to(belief.device)


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


@guarded(contexts=(axes(2), filled, _two_contexts))
def hold_out(
    contexts: Int[Tensor, "row pos"], *, generator: torch.Generator
) -> Bool[Tensor, " row"]:
    """True for the rows of half of the *different* contexts (rounded down), drawn at random.

    Args:
        contexts: the tokens that were read. The same may stand in several rows, which then lie on
            the same side.
    """
    _, which = contexts.unique(dim=0, return_inverse=True)
    n = int(which.max()) + 1
    return torch.isin(which, torch.randperm(n, generator=generator)[: n // 2])


class Reading(NamedTuple):
    """What an affine map reads from rows that it was not fitted to."""

    predicted: Float[Tensor, "held_out_row target"]
    r2: float


@guarded(
    x=(axes(2), filled, finite),
    y=(axes(2), as_long_as("x"), finite),
    held_out=(axes(1), as_long_as("x"), _both_sides),
)
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
    fitted = ridge(x[~held_out], y[~held_out], penalty=1e-3)
    predicted = fitted(x[held_out])
    return Reading(predicted, r_squared(predicted, y[held_out]))


@guarded(
    predicted=(axes(2), finite),
    truth=(shaped_as("predicted"), finite),
    next_token=(axes(1), as_long_as("predicted"), finite),
    n_bins=(count(), _bins_of_several),
)
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
    wrong, left = 0.0, 0.0
    for rows in next_token.argsort().tensor_split(n_bins):
        right = truth[rows]
        wrong += (predicted[rows] - right).pow(2).sum()
        left += (right - right.mean(0)).pow(2).sum()
    return float(1 - wrong / left)


class Follows(NamedTuple):
    """A slope and its interval."""

    slope: float
    interval: Interval


# ---- Exchanging ----------------------------------------------------------------------------------


class BeliefPairs(NamedTuple):
    """Pairs of sequences that differ up to position `at`, and go on with the same tokens.

    Attributes:
        rows, partners: tokens, [pair, pos].
        ideal: by how much more the ideal observer of the partner expects token 1 next, at each
            position after `at`.
        at: the last position that differs in what was read: there the two predict alike.
        others: sequences of as many tokens, with no beginning of a pair among them.
    """

    rows: Int[Tensor, "pair pos"]
    partners: Int[Tensor, "pair pos"]
    ideal: Float[Tensor, "pair later"]
    at: int
    others: Int[Tensor, "other pos"]


@guarded(T=process, n=count(low=2), length=(count(), _beyond_n))
def equal_predictions(
    T: Float[Tensor, "token=2 state next"],
    *,
    n: int = 10,
    length: int = 16,
    tolerance: float = 0.01,
    apart: float = 0.15,
    generator: torch.Generator,
) -> BeliefPairs:
    """Pairs of beginnings after which the ideal observer predicts alike, and believes otherwise.

    All `2 ** n` beginnings are split in two halves: pairs come from one, and `others` go on
    from the other. No beginning is in two pairs, and both of a pair end with the same token. What
    follows is drawn from the process, for the first of the two.

    Args:
        n: how many tokens a beginning has.
        tolerance: how much the two probabilities of token 1 may differ.
        apart: how far the beliefs lie apart, at least.
    """
    starts = torch.cartesian_prod(*[torch.arange(2)] * n)
    starts = starts[torch.randperm(len(starts), generator=generator)]
    others, starts = starts.tensor_split(2)
    belief = beliefs(starts, T)[:, -1]
    tick = next_token_probs(belief, T)[:, 1]
    far = torch.cdist(belief, belief) > apart
    fits = far & ((tick[:, None] - tick).abs() < tolerance)
    fits &= starts[:, None, -1] == starts[:, -1]
    pairs, free = [], torch.ones(len(starts), dtype=torch.bool)
    for i in range(len(starts)):
        able = (fits[i] & free).nonzero()[:, 0]
        if free[i] and len(able):
            partner = int(able[torch.randint(len(able), (1,), generator=generator)])
            free[[i, partner]] = False
            pairs.append((i, partner))
    first, second = torch.tensor(pairs).T

    def drawn(start: Tensor) -> Tensor:
        return sample_tokens(T, len(start), length=length - n, generator=generator, start=start)

    rows = torch.cat([starts[first], drawn(belief[first])], dim=1)
    partners = torch.cat([starts[second], rows[:, n:]], dim=1)
    after = [next_token_probs(beliefs(each, T), T)[:, n:, 1] for each in (rows, partners)]
    others = torch.cat([others, drawn(beliefs(others, T)[:, -1])], dim=1)
    return BeliefPairs(rows, partners, after[1] - after[0], n - 1, others)


@guarded(T=process, tokens=(axes(2), known_tokens), layer=layer_of(end=False))
@torch.no_grad()
def belief_planes(
    model, tokens: Int[Tensor, "sequence pos"], T: Float[Tensor, "token state next"], *, layer: int
) -> list[Float[Tensor, "d_model direction"]]:
    """For each position, along which directions the stream before block `layer` moves with belief.

    They are the weights of a regression *from* the belief, without its last number, *to* the
    stream. (The weights of a probe, from the stream to the belief, are others: they also cancel
    what else is in the stream.)
    """
    name = f"blocks.{layer}.hook_resid_pre"
    stream = model.run_with_cache(tokens, names_filter=[name])[1][name]
    belief = beliefs(tokens, T)[..., :-1]
    return [ridge(belief[:, at], stream[:, at]).weights.T for at in range(tokens.shape[1])]


@guarded(T=process, plane=(axes(2), _columns_of_belief, finite))
def plane_directions(
    plane: Float[Tensor, "d_model direction=2"], T: Float[Tensor, "token=2 state=3 next=3"]
) -> dict[str, Float[Tensor, "d_model direction=1"]]:
    """Two directions of a plane of `belief_planes`, each as a single column.

    Returns:
        `"forgettable"`: how the stream moves with a change of belief that leaves the prediction of
        the next token as it is; `"prediction"`: with a change at right angles to that one.
    """
    tick = T.sum(-1)[1]
    toward = tick - tick.mean()
    keeps = torch.linalg.cross(torch.ones_like(tick), toward)
    moves = {"prediction": toward, "forgettable": keeps}
    return {name: plane @ move[:-1, None].to(plane) for name, move in moves.items()}


@guarded(difference=(axes(3), finite), positions=_of_difference)
def at_positions(
    difference: Float[Tensor, "pair pos d_model"], positions: Sequence[int]
) -> Float[Tensor, "pair pos d_model"]:
    """All of `difference` at some positions, and zero at the others."""
    kept = torch.zeros_like(difference)
    kept[:, list(positions)] = difference[:, list(positions)]
    return kept


def others_of(pairs: BeliefPairs) -> Int[Tensor, "pair pos"]:
    """For each of `pairs.rows` another with the same token at `pairs.at`, whatever it predicts."""
    others = pairs.rows.clone()
    for token in pairs.rows[:, pairs.at].unique():
        same = (pairs.rows[:, pairs.at] == token).nonzero()[:, 0]
        others[same] = pairs.rows[same.roll(1)]
    return others


@guarded(difference=(axes(3), finite), planes=(filled, _planes_of_difference))
def plane_part(
    difference: Float[Tensor, "pair pos d_model"],
    planes: Mapping[int, Float[Tensor, "d_model direction"]],
) -> Float[Tensor, "pair pos d_model"]:
    """The part of `difference` that lies in a plane; at positions without one, zero.

    Args:
        planes: position -> vectors, its columns, that span the plane there. They have any lengths
            and need not be at right angles (`torch.linalg.qr` finds such that are).
    """
    part = torch.zeros_like(difference)
    for at, columns in planes.items():
        basis = torch.linalg.qr(columns.to(difference)).Q
        part[:, at] = difference[:, at] @ basis @ basis.T
    return part


@guarded(rows=axes(2), partners=shaped_as("rows"), layer=layer_of(end=False))
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
    name = f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        _, cache = model.run_with_cache(partners, names_filter=[name])

        def add_part(resid, hook):
            return resid + part(cache[name] - resid)

        return model.run_with_hooks(rows, fwd_hooks=[(name, add_part)]).softmax(-1)


@guarded(
    difference=(axes(3), finite),
    planes=(filled, _planes_of_difference),
    instead=(filled, _planes_of_difference),
)
def part_as_long(
    difference: Float[Tensor, "pair pos d_model"],
    planes: Mapping[int, Float[Tensor, "d_model direction"]],
    *,
    instead: Mapping[int, Float[Tensor, "d_model other"]],
) -> Float[Tensor, "pair pos d_model"]:
    """A control for `plane_part`: the part of `difference` in other planes, made as long.

    The length is set, for each pair and position, to that of `plane_part(difference, planes)`.
    """
    wanted = plane_part(difference, planes).norm(dim=-1, keepdim=True)
    found = plane_part(difference, instead)
    return found * wanted / found.norm(dim=-1, keepdim=True).clamp(min=1e-9)


def random_part(
    difference: Float[Tensor, "pair pos d_model"],
    planes: Mapping[int, Float[Tensor, "d_model direction"]],
    *,
    generator: torch.Generator,
) -> Float[Tensor, "pair pos d_model"]:
    """`part_as_long` in random planes: Gaussian columns in float32, drawn with `generator`."""
    drawn = {at: torch.randn(each.shape, generator=generator) for at, each in planes.items()}
    return part_as_long(difference, planes, instead=drawn)


@guarded(change=(axes(2), finite), ideal=(shaped_as("change"), finite))
def follows(change: Float[Tensor, "pair later"], ideal: Float[Tensor, "pair later"]) -> Follows:
    """How much of the ideal observer's change the model makes: a slope through the origin.

    Its 95% interval comes from drawing whole pairs (`utils.stats.bootstrap`).
    """
    pairs = [i for i in range(len(ideal)) for _ in range(ideal.shape[1])]
    x, y = ideal.flatten().double().cpu(), change.flatten().double().cpu()
    slope = (x * y).sum() / (x * x).sum()
    return Follows(slope.item(), bootstrap(x * y, groups=pairs, over=x * x))


@guarded(pattern=(axes(4), finite))
def attention_by_distance(
    pattern: Float[Tensor, "batch head query key"],
) -> Float[Tensor, "head distance"]:
    """Each head's mean attention to the token `distance` positions back (0 is the token itself).

    The mean is over the batch and over all queries that have a token so far back.
    """
    n = pattern.shape[-1]
    mean = pattern.mean(0)
    return torch.stack(
        [mean.diagonal(-distance, dim1=-2, dim2=-1).mean(-1) for distance in range(n)], dim=-1
    )


@guarded(layer=layer_of(end=False), distances=_of_beginnings)
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
