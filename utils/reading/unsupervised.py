"""Reading without labels: pairs of which one is true, and contrast-consistent search (CCS)."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import as_long_as, axes, binary, count, filled, finite, guarded, number, shaped_as


def _some_pairs(value: Tensor, _: Mapping) -> str | None:
    return None if len(value) > 1 else f"has {len(value)} rows: give two pairs at least"


def _as_wide_as_first(value: Tensor, given: Mapping) -> str | None:
    d = given["first"].shape[1]
    return None if value.shape == (d,) else f"has shape {tuple(value.shape)}: give ({d},)"


_HALVES = {"first": (axes(2), _some_pairs, finite), "second": (shaped_as("first"), finite)}


class Found(NamedTuple):
    """What CCS found; it unpacks like a tuple.

    Attributes:
        belief: [pair], from 0 to 1: above a half, the first of the pair is called true.
        loss: what was left of the loss.
    """

    belief: Float[Tensor, " pair"]
    loss: float


@guarded(
    **_HALVES,
    start=(_as_wide_as_first, finite),
    steps=count(),
    lr=number(low=0, over=True),
)
def ccs(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    *,
    start: Float[Tensor, " d_model"],
    steps: int = 250,
    lr: float = 0.01,
) -> Found:
    """Contrast-consistent search from one start: a probe that calls one of each pair true.

    The probe gives `sigmoid(x @ direction + bias)`. Begin with `start`, and the bias at 0. Take
    `steps` steps of Adam with step size `lr`. The loss is the mean over pairs of
    `(p_first - (1 - p_second)) ** 2` plus the square of the smaller of the two.

    Args:
        first, second: the halves, already normalised.

    Returns:
        `Found(belief, loss)` after the last step: the mean of `p_first` and `1 - p_second`,
        [pair], without a gradient, and the loss, a number.

    Source: Burns et al., 2022 (arXiv 2212.03827).
    """
    direction, bias = start.clone().requires_grad_(), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([direction, bias], lr=lr)

    def probabilities():
        return (torch.sigmoid(half @ direction + bias) for half in (first, second))

    def loss_of(p, q):
        return ((p - (1 - q)) ** 2 + torch.minimum(p, q) ** 2).mean()

    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(*probabilities()).backward()
        optimizer.step()
    with torch.no_grad():
        p, q = probabilities()
        return Found((p + 1 - q) / 2, loss_of(p, q).item())


@guarded(first=_HALVES["first"])
def normalised(first: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair d_model"]:
    """One half of the pairs, minus its mean and divided by its standard deviation."""
    return (first - first.mean(0)) / first.std(0)


@guarded(
    first=_HALVES["first"],
    second=_HALVES["second"],
    labels=(as_long_as("first"), binary),
    size=number(low=0, over=True),
)
def fit_labelling(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    labels: Int[Tensor, " pair"],
    *,
    size: float = 10.0,
) -> tuple[Float[Tensor, " d_model"], float]:
    """The shortest direction whose scores follow some labels, and the loss of CCS there.

    Args:
        first, second: normalised halves. Solve for both at once.
        labels: 1 where the first of a pair is to be called true, else 0.
        size: the score `x @ direction` that the one called true should get; the other should get
            `-size`. Where that cannot be met, the squared error is as small as possible.

    Returns:
        The direction of least norm, without a bias; and the loss of CCS there, a number.
    """
    target = size * (2 * labels.to(first) - 1)
    both, targets = torch.cat([first, second]), torch.cat([target, -target])
    direction = torch.linalg.pinv(both) @ targets
    p, q = torch.sigmoid(both @ direction).chunk(2)
    return direction, ((p - (1 - q)) ** 2 + torch.minimum(p, q) ** 2).mean().item()


def _axes_there(k: int, given: Mapping) -> str | None:
    first = given["first"]
    most = min(2 * len(first), first.shape[1])
    return None if k <= most else f"is {k}, and there are {most} principal axes"


@guarded(**_HALVES, k=(count(), _axes_there))
def whiten(
    first: Float[Tensor, "pair d_model"], second: Float[Tensor, "pair d_model"], k: int
) -> tuple[Float[Tensor, "pair k"], Float[Tensor, "pair k"]]:
    """The halves in k coordinates, in which no direction varies more than another.

    The rows of both halves together are rotated to their principal axes: along the first they vary
    most, and so on. The first k are kept, and each coordinate is divided by its size. (What is
    whitened stays so when it is rotated within the k.)

    Args:
        first, second: normalised halves, so that the columns' means are 0.

    Returns:
        The two halves in the k coordinates. Their rows together, [2 * pair, k], have
        `rows.T @ rows / len(rows)` equal to the identity.
    """
    both = torch.cat([first, second])
    left, _, _ = torch.linalg.svd(both, full_matrices=False)
    rows = left[:, :k] * len(both) ** 0.5
    return rows[: len(first)], rows[len(first) :]


def _some_length(value: Tensor, _: Mapping) -> str | None:
    return None if value.norm() > 0 else "is all zeros, and has no direction"


@guarded(**_HALVES, direction=(_as_wide_as_first, finite, _some_length), factor=number(low=0))
def stretched(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    direction: Float[Tensor, " d_model"],
    factor: float,
) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
    """Both halves, with the part of each row along a direction, of any length, times a factor.

    What lies at right angles to the direction stays as it is.
    """
    unit = direction / direction.norm()
    first = first + (factor - 1) * torch.outer(first @ unit, unit)
    second = second + (factor - 1) * torch.outer(second @ unit, unit)
    return first, second


@guarded(belief=(filled, finite), labels=(as_long_as("belief"), binary))
def agreement(belief: Float[Tensor, " pair"], labels: Int[Tensor, " pair"]) -> float:
    """The share of pairs in which a belief and labels choose alike, under the better sign.

    Never below a half: which sign means true, a method without labels cannot know.

    Args:
        belief: above a half, the first of the pair is called true.
    """
    same = ((belief > 0.5) == (labels == 1)).double().mean().item()
    return max(same, 1 - same)
