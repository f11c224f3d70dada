"""Guards that the methods of this part share, beside those of `utils.guards`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from utils.guards import Guard


def between(low: float, high: float = float("inf"), *, over: bool = False) -> Guard:
    """Numbers, or a tensor of them, from `low` (if `over`, above it) to `high`."""

    def guard(value: Tensor | float, _: Mapping) -> str | None:
        each = torch.as_tensor(value)
        fits = ((each > low) if over else (each >= low)) & (each <= high) & each.isfinite()
        if bool(fits.all()):
            return None
        top = "" if high == float("inf") else f" and at most {high:g}"
        return (
            f"holds {each[~fits].flatten()[0].item():g}: give numbers "
            f"{'above' if over else 'of at least'} {low:g}{top}"
        )

    return guard


def precise(value: Tensor, _: Mapping) -> str | None:
    """A tensor in float32 or float64."""
    if value.dtype in (torch.float32, torch.float64):
        return None
    return f"is {value.dtype}, in which sums lose digits or overflow: give `.float()`"


def varies(value: Tensor, _: Mapping) -> str | None:
    """Rows that are not all alike."""
    if len(value) > 1 and bool((value != value[:1]).any()):
        return None
    return "has rows that are all alike: there is no variance to explain"


def whole(value: Tensor, _: Mapping) -> str | None:
    """Whole numbers of at least 0."""
    if value.is_floating_point() or value.dtype == torch.bool:
        return f"is {value.dtype}: give whole numbers"
    return None if not len(value) or int(value.min()) >= 0 else "holds numbers below 0"


def at_most(other: str, axis: int = 0) -> Guard:
    """A number that is at most the length of another argument."""

    def guard(value: int, given: Mapping) -> str | None:
        top = given[other].shape[axis]
        return None if value <= top else f"is {value}, and `{other}` has {top}"

    return guard


def of_texts(texts: str = "texts") -> Guard:
    """A row for each token of a corpus that is another argument."""

    def guard(value: Tensor, given: Mapping) -> str | None:
        wanted = len(given[texts].tokens)
        if len(value) == wanted:
            return None
        return f"has {len(value)} rows, and `{texts}` {wanted} tokens: give a row for each token"

    return guard


def as_wide_as(other: str) -> Guard:
    """A last axis as long as that of another argument, or as what an SAE of that name reads."""

    def guard(value: Tensor, given: Mapping) -> str | None:
        wanted = getattr(given[other], "d_in", None) or given[other].shape[-1]
        if value.shape[-1] == wanted:
            return None
        return f"has vectors of {value.shape[-1]} numbers, and `{other}` is for {wanted}"

    return guard
