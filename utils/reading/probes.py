"""Linear probes: reading a concept from activations, and how far to trust the reading.

A probe is a direction and a bias. It says yes where `x @ direction + bias` is above 0.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.guards import (
    as_long_as,
    axes,
    binary,
    count,
    filled,
    finite,
    floating,
    guarded,
    index_of,
    no_zeros,
    number,
    plain,
    several,
    two_classes,
)
from utils.stats import Interval, percentiles

_ROWS = (axes(2), floating, finite)
_LABELS = (as_long_as("x"), two_classes)


def _holds_some_out(test: float, given: Mapping) -> str | None:
    n = len(set(given["groups"]))
    if 0 < round(test * n) < n:
        return None
    return f"is {test}, which holds {round(test * n)} of {n} groups out: leave some on both sides"


def _two_groups(groups: Sequence[Hashable], _: Mapping) -> str | None:
    return None if len(set(groups)) > 1 else "are all one: what was not trained on is to be tested"


def _a_fold_each(folds: int, given: Mapping) -> str | None:
    n = len(set(given["groups"]))
    return None if folds <= n else f"is {folds}, and there are {n} groups: take fewer"


def _one_label_each(groups: Sequence[Hashable], given: Mapping) -> str | None:
    label: dict[Hashable, int] = {}
    pairs = zip(groups, given["labels"].tolist(), strict=True)
    mixed = [group for group, each in pairs if label.setdefault(group, each) != each]
    return f"have rows of both labels in {mixed[0]!r}: all of a group have one" if mixed else None


class Probe(NamedTuple):
    """A direction and a bias; it unpacks like the pair it is."""

    direction: Float[Tensor, " d_model"]
    bias: Float[Tensor, ""]

    def scores(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n"]:
        """Above 0 is a yes."""
        return x @ self.direction + self.bias

    @guarded(y=(as_long_as("x"), filled, binary))
    def accuracy(self, x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]) -> float:
        """The share of rows on the right side of 0; `y` holds 0 and 1."""
        return _is_right(self, x, y).mean().item()


@guarded(x=finite)
def _is_right(
    probe: Probe, x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """1.0 where the probe is on the right side of 0."""
    scores = probe.scores(x)
    if not scores.isfinite().all():
        raise ValueError("The probe holds NaN or infinity: look at what it was fitted to.")
    return ((scores > 0) == (y == 1)).float()


# What it returns unpacks into a direction and a bias, as a `Probe` does.
Fit = Callable[[Float[Tensor, "n d_model"], Int[Tensor, " n"]], Sequence]


@guarded(
    resid=axes(3),
    direction=(axes(1), finite, no_zeros),
    positions=(as_long_as("resid"), index_of("resid", 1)),
    partner=(as_long_as("resid"), index_of("resid")),
)
def exchange_along(
    resid: Float[Tensor, "batch pos d_model"],
    direction: Float[Tensor, " d_model"],
    positions: Int[Tensor, " batch"],
    partner: Int[Tensor, " batch"],
) -> Float[Tensor, "batch pos d_model"]:
    """A copy of `resid` in which each row's component along `direction` is its partner's.

    Args:
        direction: of any length: only the line it spans matters.
        positions: one for each row; all others stay as they are.
        partner: for each row, the number of the row whose component (at *its* position) it gets.
    """
    rows = torch.arange(len(resid), device=resid.device)
    positions, partner = positions.to(resid.device), partner.to(resid.device)
    unit = (direction / direction.norm()).to(resid)
    here = resid[rows, positions]
    change = (here[partner] - here) @ unit
    resid = resid.clone()
    resid[rows, positions] += change[:, None] * unit
    return resid


@guarded(x=_ROWS, y=_LABELS)
def mean_difference(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]) -> Probe:
    """Direction from the mean of the rows with label 0 to that of label 1.

    Its length is the distance of the means: it is not normalised. The bias puts the zero halfway
    between the two. Source: "mass-mean" probing in Marks and Tegmark, 2023 (arXiv 2310.06824).
    """
    yes, no = x[y == 1].mean(0), x[y == 0].mean(0)
    direction = yes - no
    return Probe(direction, -(yes + no) @ direction / 2)


@guarded(x=_ROWS, y=_LABELS, C=number(low=0, over=True))
def logistic(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"], *, C: float = 0.1) -> Probe:
    """Logistic regression on standardised coordinates, folded back into one direction and bias.

    Args:
        C: scikit-learn's inverse strength of the L2 penalty; smaller is stricter.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(0), x.std(0)
    scale = torch.where(scale > 1e-6 * scale.max(), scale, torch.inf)  # constant: nothing to read
    fitted = LogisticRegression(C=C, max_iter=1000).fit(((x - mean) / scale).numpy(), y.numpy())
    direction = torch.from_numpy(fitted.coef_[0]).float() / scale
    return Probe(direction, torch.tensor(fitted.intercept_[0]).float() - mean @ direction)


@guarded(groups=(several, plain, filled), test=(number(low=0, high=1), _holds_some_out))
def split_by_group(
    groups: Sequence[Hashable], *, test: float, generator: torch.Generator
) -> Bool[Tensor, " n"]:
    """True for the rows of the test set: a share of the groups, each of them whole.

    Args:
        groups: what each row belongs to. Rows of one group need not be neighbours.
        test: the share of *groups* to hold out, rounded to a whole number of groups.
        generator: of the draw: in another run of Python, the same one gives the same split.
    """
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=generator)
    chosen = {names[i] for i in order[: round(test * len(names))]}
    return torch.tensor([group in chosen for group in groups])


@guarded(
    x=(axes(2), finite),
    y=(as_long_as("x"), binary),
    groups=(plain, as_long_as("x"), _two_groups),
    folds=(count(low=2), _a_fold_each),
)
def cross_validated(
    x: Float[Tensor, "n d_model"],
    y: Int[Tensor, " n"],
    groups: Sequence[Hashable],
    *,
    fit: Fit,
    folds: int = 5,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " n"]:
    """1.0 where a probe that was fitted without a row's group (and its fold) is right about it.

    Args:
        fit: gives a direction and a bias, such as `logistic`.
        folds: at most as many as there are groups.
        generator: of the folds; without one, they are the same in each call.

    Raises:
        ValueError: there is one group, fewer groups than folds, or a probe that holds NaN.
    """
    names = list(dict.fromkeys(groups))
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.randperm(len(names), generator=generator).tolist()
    fold = {names[group]: i % folds for i, group in enumerate(order)}
    folds_of = torch.tensor([fold[group] for group in groups])
    right = torch.zeros(len(y))
    for i in range(folds):
        out = folds_of == i
        right[out] = _is_right(Probe(*fit(x[~out], y[~out])), x[out], y[out])
    return right


@guarded(
    scores=finite,
    labels=(as_long_as("scores"), binary),
    groups=(several, plain, as_long_as("scores"), filled),
)
def choices(
    scores: Float[Tensor, " n"], labels: Int[Tensor, " n"], groups: Sequence[Hashable]
) -> dict[Hashable, float]:
    """For each group: does its row of label 1 score above its row of label 0? A tie counts half.

    Chance is 0.5, whatever the scores' zero is.

    Raises:
        ValueError: a group has not exactly one row of each label.
    """
    found: dict[Hashable, dict[int, float]] = {}
    for score, label, group in zip(scores.tolist(), labels.tolist(), groups, strict=True):
        if label in found.setdefault(group, {}):
            raise ValueError(f"{group!r} has two rows of label {label}: give one of each.")
        found[group][label] = score
    if bad := [group for group, pair in found.items() if set(pair) != {0, 1}]:
        raise ValueError(f"{bad[0]!r} has rows of one label: give one of each.")
    return {
        group: 0.5 if pair[1] == pair[0] else float(pair[1] > pair[0])
        for group, pair in found.items()
    }


@guarded(types=(several, plain, filled))
def control_labels(types: Sequence[Hashable], *, generator: torch.Generator) -> Int[Tensor, " n"]:
    """A coin for each type, 0 or 1: the same coin wherever the type comes again.

    The control task of Hewitt and Liang, 2019 (arXiv 1909.03368): there is nothing to read, so
    what a probe scores on it, it has learnt by heart.

    Args:
        types: what each row is one of, such as its word, or its statement.
        generator: of the coins: in another run of Python, the same one gives the same labels.
    """
    names = list(dict.fromkeys(types))
    coins = torch.randint(2, (len(names),), generator=generator)
    coin = dict(zip(names, coins.tolist(), strict=True))
    return torch.tensor([coin[each] for each in types])


def _wins(scores: Float[Tensor, " own"], others: Float[Tensor, " other"]) -> float:
    """How often one of the scores is above one of the others; a tie counts half."""
    above, tied = scores[:, None] > others, scores[:, None] == others
    return (above.double() + 0.5 * tied).mean().item()


@guarded(
    scores=(axes(1), finite),
    labels=(as_long_as("scores"), two_classes),
    groups=(several, plain, as_long_as("scores"), _one_label_each),
    n=count(),
)
def auc_interval(
    scores: Float[Tensor, " n"],
    labels: Int[Tensor, " n"],
    groups: Sequence[Hashable],
    *,
    n: int = 1000,
    generator: torch.Generator | None = None,
) -> Interval:
    """95% percentile interval of `auc`, drawing the groups of each label with replacement.

    Args:
        groups: what each row belongs to, such as its word; all rows of a group have one label.
        n: how many times to draw.
        generator: of the draws; without one, they are the same in each call.

    Raises:
        ValueError: a group has rows of both labels, all rows have one, or a score is not finite.
    """
    rows: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        rows.setdefault(group, []).append(i)
    scores = scores.cpu()
    yes, no = ([scores[own] for own in rows.values() if labels[own[0]] == x] for x in (1, 0))
    table = torch.tensor([[_wins(own, other) for other in no] for own in yes])
    generator = generator or torch.Generator().manual_seed(0)
    draws = torch.stack(
        [
            table[torch.randint(len(yes), (len(yes),), generator=generator)][
                :, torch.randint(len(no), (len(no),), generator=generator)
            ].mean()
            for _ in range(n)
        ]
    )
    return percentiles(draws)
