"""Linear probes: reading a concept from activations, and how far to trust the reading.

A probe is a direction and a bias. It says yes where `x @ direction + bias` is above 0.
"""

from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# ---- Measures and controls ----------------------------------------------------------------------


def auc(scores: Float[Tensor, " n"], labels: Int[Tensor, " n"]) -> float:
    """How often a row of label 1 scores above one of label 0; a tie counts half. 0.5 is chance."""
    yes, no = scores[labels == 1], scores[labels == 0]
    above = (yes[:, None] > no).double() + 0.5 * (yes[:, None] == no).double()
    return above.mean().item()


def share_interval(values: Bool[Tensor, " n"] | Sequence[bool]) -> tuple[float, float]:
    """Exact 95% interval of a share of independent cases (Clopper and Pearson, 1934).

    Unlike `bootstrap` it has a width where all cases are alike.

    Raises:
        ValueError: there are no cases.
    """
    from scipy.stats import binomtest

    values = torch.as_tensor(values).bool().flatten()
    if len(values) == 0:
        raise ValueError("No cases: there is no share to give an interval for.")
    found = binomtest(int(values.sum()), len(values)).proportion_ci(method="exact")
    return float(found.low), float(found.high)


def bootstrap(
    values: Float[Tensor, " n"] | Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    over: Float[Tensor, " n"] | None = None,
    n: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95% percentile interval of the mean of `values`.

    Args:
        values: one number a row, such as 1.0 where a probe was right.
        groups: what each row belongs to, such as its country. Whole groups are drawn, with
            replacement: rows of one group are not independent, and drawing them one by one gives
            an interval that is too narrow.
        over: if given, the interval is that of the mean of `values` over the mean of these: of a
            share. Both come from the same draws.
        n: how many times to draw.
        seed: of the draws.

    Returns:
        (low, high): the 2.5th and the 97.5th percentile of the means of the draws.

    Raises:
        ValueError: there are no values, or not as many groups as values.
    """
    values = torch.as_tensor(values, dtype=torch.float64).flatten().cpu()
    groups = range(len(values)) if groups is None else groups
    if len(values) == 0 or len(groups) != len(values):
        raise ValueError(
            f"There are {len(values)} values and {len(groups)} groups: give a group for each value."
        )
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = torch.tensor([number[group] for group in groups])
    zeros = torch.zeros(len(number), dtype=torch.float64)
    sums = zeros.index_add(0, index, values)
    under = torch.ones_like(values) if over is None else over.double().flatten().cpu()
    sizes = zeros.index_add(0, index, under)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(number), (n, len(number)), generator=generator)
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def standard_error(values: Float[Tensor, " n"], *, groups: Sequence[Hashable]) -> float:
    """How far the mean of `values` moves by luck, with groups as the unit, such as pairs.

    The standard deviation of the groups' means, divided by the root of their number.
    """
    sums: dict[Hashable, list[float]] = {}
    for value, group in zip(values.tolist(), groups, strict=True):
        sums.setdefault(group, []).append(value)
    means = torch.tensor([sum(found) / len(found) for found in sums.values()])
    return (means.std() / len(means) ** 0.5).item()
