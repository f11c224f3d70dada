"""Intervals, and what several parts fit or score: a wrapper each around scikit-learn, in torch.

For more see `transformer_lens.utilities.statistics` (standard errors, exact intervals of shares,
permutation tests) and `scipy.stats`.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from utils.guards import (
    as_long_as,
    axes,
    count,
    filled,
    finite,
    guarded,
    number,
    shaped_as,
    two_classes,
)


class Interval(NamedTuple):
    """A 95% interval."""

    low: float
    high: float


@guarded(values=(filled, finite), over=(as_long_as("values"), finite), n=count())
def bootstrap(
    values: Shaped[Tensor, " n"] | Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    over: Shaped[Tensor, " n"] | None = None,
    n: int = 1000,
    generator: torch.Generator | None = None,
) -> Interval:
    """95% percentile interval of the mean of `values`.

    TransformerLens's `bootstrap_ci` draws single rows; this one draws whole groups.

    Args:
        values: one number a row, such as 1.0 where a probe was right.
        groups: what each row belongs to, such as its country. Whole groups are drawn, with
            replacement: rows of one group are not independent, and drawing them one by one gives
            an interval that is too narrow.
        over: if given, the interval is that of the mean of `values` over the mean of these: of a
            share. Both come from the same draws.
        n: how many times to draw.
        generator: of the draws; without one they are the same each time.

    Raises:
        ValueError: there are no finite values, not as many groups as values, or one group alone.
    """
    values = torch.as_tensor(values, dtype=torch.float64).flatten().cpu()
    groups = range(len(values)) if groups is None else groups
    place = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    if len(groups) != len(values) or len(place) < 2:
        raise ValueError(
            f"There are {len(values)} values and {len(groups)} groups, {len(place)} of them "
            "different: give a group for each value, and two different ones at least."
        )
    index = torch.tensor([place[group] for group in groups])
    zeros = torch.zeros(len(place), dtype=torch.float64)
    sums = zeros.index_add(0, index, values)
    under = torch.ones_like(values) if over is None else over.double().flatten().cpu()
    sizes = zeros.index_add(0, index, under)
    generator = generator or torch.Generator().manual_seed(0)
    means = torch.empty(n, dtype=torch.float64)
    for part in means.split(1 + 2**20 // len(place)):  # 8 MB of draws at a time
        drawn = torch.randint(len(place), (len(part), len(place)), generator=generator)
        part.copy_(sums[drawn].sum(1) / sizes[drawn].sum(1))
    if not means.isfinite().all():
        raise ValueError("`over` sums to 0 in some draws: a share of nothing has no interval.")
    return percentiles(means)


@guarded(draws=(filled, finite))
def percentiles(draws: Float[Tensor, " draw"]) -> Interval:
    """The 2.5th and the 97.5th percentile of draws, such as a bootstrap's."""
    ends = torch.tensor([0.025, 0.975], dtype=draws.dtype)
    return Interval(*draws.quantile(ends).tolist())


@guarded(scores=(axes(1), finite), labels=(as_long_as("scores"), two_classes))
def auc(scores: Float[Tensor, " n"], labels: Int[Tensor, " n"]) -> float:
    """How often a row of label 1 scores above one of label 0; a tie counts half. 0.5 is chance.

    Raises:
        ValueError: a score is not finite, or all rows have one label.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels.cpu().numpy(), scores.detach().cpu().numpy()))


class Affine(NamedTuple):
    """An affine map, `x @ weights + bias`, in double precision."""

    weights: Float[Tensor, "feature target"]
    bias: Float[Tensor, " target"]

    def __call__(self, x: Float[Tensor, "n feature"]) -> Float[Tensor, "n target"]:
        return x.to(self.weights) @ self.weights + self.bias


@guarded(x=(axes(2), filled, finite), y=(axes(2), as_long_as("x"), finite), penalty=number(low=0))
def ridge(
    x: Float[Tensor, "n feature"], y: Float[Tensor, "n target"], *, penalty: float = 0.0
) -> Affine:
    """The affine map from `x` to `y` of least squared error, by scikit-learn.

    Args:
        penalty: times the sum of squared weights, without the bias, is added to the sum of squared
            errors.

    Returns:
        The map, in double precision, on the CPU.
    """
    from sklearn.linear_model import LinearRegression, Ridge

    model = Ridge(alpha=penalty) if penalty else LinearRegression()
    fitted = model.fit(x.detach().cpu().double().numpy(), y.detach().cpu().double().numpy())
    weights = torch.from_numpy(fitted.coef_).reshape(y.shape[1], -1).T  # Ridge flattens one target
    return Affine(weights, torch.from_numpy(fitted.intercept_))


@guarded(predicted=finite, y=(shaped_as("predicted"), finite))
def r_squared(predicted: Float[Tensor, "n target"], y: Float[Tensor, "n target"]) -> float:
    """Share of the variance of `y` that a prediction explains, over all targets together.

    1 is perfect, 0 is as good as predicting the mean, and below 0 is worse than that.

    Raises:
        ValueError: `y` does not vary, shapes differ, or a number is not finite.
    """
    from sklearn.metrics import r2_score

    if bool((y == y[:1]).all()):
        raise ValueError("All rows of `y` are equal: there is no variance to explain.")
    y, predicted = (each.detach().cpu().double().numpy() for each in (y, predicted))
    return float(r2_score(y, predicted, multioutput="variance_weighted"))
