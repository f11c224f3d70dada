"""Intervals, and an AUC.

For more see `transformer_lens.utilities.statistics` (standard errors, exact intervals of shares,
permutation tests) and `scipy.stats`.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from utils.guards import as_long_as, axes, count, filled, finite, guarded, plain, two_classes


class Interval(NamedTuple):
    """A 95% interval."""

    low: float
    high: float


@guarded(values=(filled, finite), groups=plain, over=(as_long_as("values"), finite), n=count())
def bootstrap(
    values: Shaped[Tensor, " n"] | Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    over: Shaped[Tensor, " n"] | None = None,
    n: int = 1000,
    generator: torch.Generator | None = None,
) -> Interval:
    """95% percentile interval of the mean of `values`.

    Args:
        values: one number a row, such as 1.0 where a probe was right.
        groups: what each row belongs to, such as its country. Whole groups are drawn, with
            replacement: rows of one group are not independent, and drawing them one by one gives
            an interval that is too narrow. TransformerLens's `bootstrap_ci` draws single rows.
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
        found = f"{len(values)} values and {len(groups)} groups, {len(place)} of them different"
        raise ValueError(f"There are {found}: give a group for each value, two different ones.")
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
    return Interval(*draws.quantile(draws.new_tensor([0.025, 0.975])).tolist())


@guarded(scores=(axes(1), finite), labels=(as_long_as("scores"), two_classes))
def auc(scores: Float[Tensor, " n"], labels: Int[Tensor, " n"]) -> float:
    """How often a row of label 1 scores above one of label 0; a tie counts half. 0.5 is chance.

    Raises:
        ValueError: a score is not finite, or all rows have one label.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels.cpu().numpy(), scores.detach().cpu().numpy()))
