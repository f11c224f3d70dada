"""Reading without labels: pairs of which one is true, and contrast-consistent search (CCS)."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import as_long_as, axes, binary, count, filled, finite, guarded, shaped_as


def _chances(value: Tensor, _: Mapping) -> str | None:
    inside = bool(((value >= 0) & (value <= 1)).all())
    return None if inside else "must hold probabilities, from 0 to 1"


def _some_pairs(value: Tensor, _: Mapping) -> str | None:
    return None if len(value) > 1 else f"has {len(value)} rows: give two pairs at least"


@guarded(p_first=(filled, _chances), p_second=(shaped_as("p_first"), _chances))
def ccs_loss(
    p_first: Float[Tensor, " pair"], p_second: Float[Tensor, " pair"]
) -> Float[Tensor, ""]:
    """The mean over pairs of consistency plus confidence.

    Source: Burns et al., 2022 (arXiv 2212.03827).

    Args:
        p_first, p_second: the probabilities that the first, and the second, is true.
    """
    consistency = (p_first - (1 - p_second)) ** 2
    confidence = torch.minimum(p_first, p_second) ** 2
    return (consistency + confidence).mean()


class Unsupervised(NamedTuple):
    """What a method without labels found.

    Attributes:
        first: [pair], its belief that the first of each pair is the true one, above or below 0.
            Which sign means true, it cannot know.
        loss: what it minimised; None where there was no loss.
    """

    first: Float[Tensor, " pair"]
    loss: float | None

    def agreement(self, labels: Int[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        """1.0 where it agrees with `labels`, under whichever sign agrees more: never below half.

        Raises:
            ValueError: labels are not 0 and 1, not one for each pair, or the belief holds NaN.
        """
        return _agreement(self.first, labels)


@guarded(first=(filled, finite), labels=(as_long_as("first"), binary))
def _agreement(
    first: Float[Tensor, " pair"], labels: Int[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    same = ((first > 0) == (labels == 1)).float()
    return same if same.mean() >= 0.5 else 1 - same


@guarded(
    first=(axes(2), _some_pairs, finite),
    second=(shaped_as("first"), finite),
    tries=count(),
    steps=count(),
)
def ccs(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    *,
    normalise: bool = True,
    tries: int = 4,
    steps: int = 250,
    generator: torch.Generator | None = None,
) -> Unsupervised:
    """Contrast-consistent search: a probe that calls just one of the two halves true.

    Adam with a step of 0.01, from several random starts; the lowest loss wins.

    Args:
        normalise: subtract each half's own mean and divide by its own spread, so that what all
            first halves share (such as "not") cannot be read. Otherwise both halves together.
        generator: of the starts; without one, they are the same in each call.

    Source: Burns et al., 2022 (arXiv 2212.03827).
    """
    both = torch.cat([first, second])
    first, second = (
        (half - over.mean(0)) / over.std(0).clamp(min=1e-6)
        for half, over in (
            (first, first if normalise else both),
            (second, second if normalise else both),
        )
    )
    generator = generator or torch.Generator().manual_seed(0)
    best = None
    with torch.enable_grad():
        for _ in range(tries):
            start = torch.randn(first.shape[1], generator=generator) / first.shape[1] ** 0.5
            direction, bias = start.requires_grad_(), torch.zeros(1, requires_grad=True)
            optimizer = torch.optim.Adam([direction, bias], lr=0.01)
            for _ in range(steps):
                p = [torch.sigmoid(half @ direction + bias) for half in (first, second)]
                loss = ccs_loss(*p)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if best is None or loss.item() < best.loss:
                best = Unsupervised((p[0] - p[1]).detach() / 2, loss.item())
    return best
