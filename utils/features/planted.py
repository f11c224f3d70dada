"""Worlds of planted features, what finds them, and how well a dictionary recovers them.

A vector is an offset plus a sum of few directions, each times a coefficient. Since both are known,
what a sparse autoencoder finds can be compared with what there is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from utils.features.guards import as_wide_as, precise
from utils.features.sae import SAE, quality
from utils.guards import (
    Guard,
    axes,
    count,
    filled,
    finite,
    guarded,
    no_zeros,
    number,
)


class World(NamedTuple):
    """Which features there are.

    Attributes:
        directions: of length 1.
        frequency: the share of vectors in which a feature is active.
        offset: added to every vector.
        children: 0: features are active independently. Otherwise the first of them are parents,
            and each is followed, after all parents, by its block of so many children. A child is
            active when its parent is and no other child of it, never on its own.
    """

    directions: Float[Tensor, "feature d"]
    frequency: Float[Tensor, " feature"]
    offset: Float[Tensor, " d"]
    children: int = 0


def world_generator(number: int) -> torch.Generator:
    """A generator for a world, or for vectors of one; another for each number.

    It never gives the numbers of `manual_seed(number)`, from which an SAE may start: both are
    Gaussian rows of length 1, and it would start at the planted directions.
    """
    return torch.Generator().manual_seed(7_919 * number + 1_000_000_007)


def _probable(*, of: str) -> Guard:
    """As many active features as leave each a probability."""

    def guard(active: float, given: Mapping) -> str | None:
        n, span = given[of], given.get("span", 1.0)
        falling = span ** -torch.linspace(0, 1, n)
        often = (active * falling / falling.sum()).max().item()
        if often <= 1:
            return None
        return f"is {active} of {n}: the commonest would be active {often:.2f} times a vector"

    return guard


@guarded(
    n=count(), d=count(), span=number(low=1), active=(number(low=0, over=True), _probable(of="n"))
)
def independent(n: int, d: int, *, active: float, span: float, generator: torch.Generator) -> World:
    """Features that are active independently, in random directions, from common to rare.

    Args:
        active: how many features are active in a vector, on average.
        span: how many times more often the first is active than the last; between them the
            frequency falls by the same factor from feature to feature.
        generator: a `world_generator`.
    """
    directions = F.normalize(torch.randn(n, d, generator=generator))
    falling = span ** -torch.linspace(0, 1, n)
    offset = torch.randn(d, generator=generator) / d**0.5
    return World(directions, active * falling / falling.sum(), offset)


@guarded(
    parents=count(),
    children=count(),
    d=count(),
    active=(number(low=0, over=True), _probable(of="parents")),
    alone=number(low=0, high=1),
)
def families(
    parents: int,
    children: int,
    d: int,
    *,
    active: float,
    alone: float = 0.25,
    generator: torch.Generator,
) -> World:
    """Parents in random directions, each with so many children, in random directions too.

    Args:
        active: how many parents are active in a vector, on average.
        alone: in which share of these cases none of its children is active.
        generator: a `world_generator`.
    """
    n = parents * (1 + children)
    directions = F.normalize(torch.randn(n, d, generator=generator))
    often = torch.full((n,), active / parents)
    often[parents:] *= (1 - alone) / children
    return World(directions, often, torch.randn(d, generator=generator) / d**0.5, children)


@guarded(n=count())
def draw(
    world: World, n: int, *, generator: torch.Generator
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n feature"]]:
    """Vectors, and the coefficients of the features in them: 0, or between 0.5 and 1.5.

    Args:
        generator: a `world_generator`.
    """
    size = (n, len(world.frequency))
    value = 0.5 + torch.rand(size, generator=generator)
    active = torch.rand(size, generator=generator) < world.frequency
    if world.children:
        parents = size[1] // (1 + world.children)
        one = torch.rand(n, parents, 1, generator=generator)  # says which child, if any
        frequency = world.frequency[parents:].view(parents, -1) / world.frequency[:parents, None]
        upper = frequency.cumsum(1)
        chosen = (one < upper) & (one >= upper - frequency) & active[:, :parents, None]
        active = torch.cat([active[:, :parents], chosen.flatten(1)], dim=1)
    coefficients = value * active
    return coefficients @ world.directions + world.offset, coefficients


@guarded(steps=count(), batch_size=count(), number=count(low=0))
def batches(
    world: World, steps: int, *, number: int, batch_size: int = 256, shuffled: bool = False
) -> Callable[[int], Float[Tensor, "batch d"]]:
    """Fresh vectors for each step of a training, by the step's number.

    Args:
        number: other vectors for each; `score` measures on none of them.
        shuffled: a control. Each coordinate is put in another order over all vectors: it keeps its
            values, and no direction is left.
    """
    generator = world_generator(1 + number)
    x, _ = draw(world, steps * batch_size, generator=generator)
    if shuffled:
        x = torch.stack([each[torch.randperm(len(x), generator=generator)] for each in x.T], dim=1)
    return lambda step: x[step * batch_size : (step + 1) * batch_size]


# ---- What the lesson's reader writes ------------------------------------------------------------


def top_k_sae(
    x: Float[Tensor, "n d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
    *,
    k: int,
) -> tuple[Float[Tensor, "n d_sae"], Float[Tensor, "n d_in"]]:
    """A TopK SAE's activations and its reconstruction of `x`.

    Of each vector's pre-activations the k largest are kept, those of them that are above 0; all
    others become 0.

    Source: arXiv 2406.04093.
    """
    pre = (x - b_dec) @ W_enc + b_enc
    values, chosen = pre.topk(k, dim=-1)
    acts = torch.zeros_like(pre).scatter(-1, chosen, values.relu())
    return acts, acts @ W_dec + b_dec


def fit(
    sae, vectors: Callable[[int], Float[Tensor, "batch d_in"]], *, steps: int, lr: float = 1e-2
) -> list[float]:
    """Trains an SAE with Adam, in place; returns the loss of each step, taken before the update.

    In step t of T the learning rate is lr in the first half, and lr * 2 * (1 - t / T) in the
    second. After each step the rows of `sae.W_dec` have length 1 again.

    Args:
        sae: `sae.loss(x)` gives a pair, of which the first is the loss of a batch.
        vectors: gives the batch of step 0, 1, ..., steps - 1; each is asked for once, in order.
    """
    adam = torch.optim.Adam(sae.parameters(), lr=lr)
    losses = []
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * min(1, 2 * (1 - step / steps))
        loss, _ = sae.loss(vectors(step))
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
        losses.append(loss.item())
    return losses


def twins(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, above: float = 0.9
) -> Bool[Tensor, " n"]:
    """For each direction of `a`, whether it has a twin in `b`.

    Directions are paired one to one, so that the sum of the pairs' cosines is as large as it can
    be. A pair above `above` are twins. Where one dictionary is larger, some have no partner.

    Source: Paulo and Belrose, 2025 (arXiv 2501.16615).

    Args:
        a, b: directions of any length.
    """
    cosine = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T
    rows, columns = linear_sum_assignment(-cosine.detach().cpu().numpy())
    found = torch.zeros(len(a), dtype=torch.bool, device=a.device)
    found[rows] = cosine[rows, columns] > above
    return found


def matryoshka_loss(
    x: Float[Tensor, "n d_in"],
    acts: Float[Tensor, "n d_sae"],
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
    *,
    prefixes: Sequence[int],
) -> Float[Tensor, ""]:
    """The squared error of the first m latents alone, a mean over each m in `prefixes`.

    Each error is summed over dimensions and averaged over vectors.

    Source: arXiv 2503.17547.
    """
    total = 0.0
    for m in prefixes:
        x_hat = acts[:, :m] @ W_dec[:m] + b_dec
        total = total + (x_hat - x).square().sum(-1).mean()
    return total / len(prefixes)


# ---- Recovery -----------------------------------------------------------------------------------


_DIRECTIONS = (axes(2), filled, precise, finite, no_zeros)
RECALLED = 0.9  # a feature counts as found above this cosine


@guarded(true=_DIRECTIONS, found=(*_DIRECTIONS, as_wide_as("true")))
def best_cosine(
    true: Float[Tensor, "feature d"], found: Float[Tensor, "latent d"]
) -> Float[Tensor, " feature"]:
    """For each true direction, its largest cosine with a found one.

    Args:
        true: planted directions, of any length.
        found: a dictionary's directions, of any length.
    """
    return (F.normalize(true, dim=-1) @ F.normalize(found, dim=-1).T).max(dim=-1).values


class Score(NamedTuple):
    """How a dictionary does on fresh vectors of its world.

    Attributes:
        l0, fvu: active latents a vector; the share of variance unexplained.
        found: how many planted features it has, with a cosine above `RECALLED`.
        directions: of the latents that fire on more than one vector in a thousand.
    """

    l0: float
    fvu: float
    found: int
    directions: Float[Tensor, "latent d"]


def _of_the_same_size(world: World, given: Mapping) -> str | None:
    d, d_in = world.directions.shape[1], given["sae"].d_in
    return None if d == d_in else f"has vectors of {d} numbers, and the SAE reads {d_in}"


@guarded(world=_of_the_same_size)
@torch.no_grad()
def recovered(sae: SAE, world: World) -> Score:
    """Scores an SAE on 5,000 vectors that no training sees."""
    x, _ = draw(world, 5_000, generator=world_generator(0))
    measured = quality(sae.eval(), x)
    directions = sae.W_dec[measured.density > 1e-3]
    cosine = best_cosine(world.directions, directions) if len(directions) else torch.zeros(1)
    found = int((cosine > RECALLED).sum())
    return Score(measured.l0, 1 - measured.explained, found, directions)


@guarded(x=(axes(2), precise, finite, filled))
def components(x: Float[Tensor, "n d"]) -> Float[Tensor, "twice_d d"]:
    """All principal components of some vectors, in both signs."""
    found = torch.linalg.eigh((x - x.mean(0)).T @ (x - x.mean(0))).eigenvectors.T
    return torch.cat([found, -found])


def _of_families(world: World, _: Mapping) -> str | None:
    return None if world.children else "has no families: make it by `families`"


class ParentFires(NamedTuple):
    """How a parent's latent fires, means over parents.

    Attributes:
        alone, with_child: the share of vectors with the parent on which it fires: no child of the
            parent is active; one is.
        f1: of the firings, as a detector of the parent.
    """

    alone: float
    with_child: float
    f1: float


@guarded(world=(_of_families, _of_the_same_size))
@torch.no_grad()
def parent_fires(sae: SAE, world: World) -> ParentFires:
    """When the latent nearest to each parent fires, on 8,000 vectors that no training sees."""
    parents = len(world.frequency) // (1 + world.children)
    x, coefficients = draw(world, 8_000, generator=world_generator(0))
    fires = sae.eval().encode(x) > 0
    alive = fires.any(0)
    fires, living = fires[:, alive], F.normalize(sae.W_dec[alive])
    own = fires[:, (world.directions[:parents] @ living.T).argmax(1)]
    there = coefficients[:, :parents] > 0
    child = (coefficients[:, parents:] > 0).unflatten(1, (parents, -1)).any(2)
    shares = [(own & case).sum(0) / case.sum(0) for case in (there & ~child, there & child)]
    f1 = 2 * (own & there).sum(0) / (own.sum(0) + there.sum(0))
    return ParentFires(*(each.mean().item() for each in (*shares, f1)))
