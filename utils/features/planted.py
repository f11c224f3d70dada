"""Worlds of planted features, and how well a dictionary recovers them.

A vector is an offset plus a sum of few directions, each times a coefficient. Since both are known,
what a sparse autoencoder finds can be compared with what there is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from utils.features.guards import as_wide_as, precise, varies
from utils.features.sae import SAE, gaussian, quality, train
from utils.guards import (
    Guard,
    as_long_as,
    axes,
    count,
    filled,
    finite,
    guarded,
    no_zeros,
    number,
    shaped_as,
)


class World(NamedTuple):
    """Which features there are.

    Attributes:
        directions: of length 1.
        frequency: the share of vectors in which a feature is active.
        offset: added to every vector.
        children: 0: features are active independently. Otherwise the first of them are parents,
            and each is followed, behind all parents, by its block of so many children. A child is
            active when its parent is and no other child of it, never on its own.
    """

    directions: Float[Tensor, "feature d"]
    frequency: Float[Tensor, " feature"]
    offset: Float[Tensor, " d"]
    children: int = 0


def world_generator(number: int) -> torch.Generator:
    """A generator for a world, or for vectors of one; another for each number.

    It never gives the numbers of `manual_seed(number)`, from which an SAE may start: both are
    normal rows of length 1, and it would start at the planted directions.
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


# ---- Controls -----------------------------------------------------------------------------------


def components(world: World) -> Float[Tensor, "twice_d d"]:
    """All principal components of a world's vectors, in both signs."""
    x, _ = draw(world, 10_000, generator=world_generator(1))
    axes = torch.linalg.eigh((x - x.mean(0)).T @ (x - x.mean(0))).eigenvectors.T
    return torch.cat([axes, -axes])


# ---- Recovery -----------------------------------------------------------------------------------


_DIRECTIONS = (axes(2), filled, precise, finite, no_zeros)


@guarded(true=_DIRECTIONS, found=(*_DIRECTIONS, as_wide_as("true")))
def best_cosine(
    true: Float[Tensor, "feature d"], found: Float[Tensor, "latent d"]
) -> Float[Tensor, " feature"]:
    """For each true direction, its largest cosine with a found one.

    Args:
        true: planted directions, of any length.
        found: a dictionary's directions, of any length.
    """
    true, found = (torch.nn.functional.normalize(each, dim=-1) for each in (true, found))
    return (true @ found.T).max(dim=-1).values


def _not_the_mean(x_hat: Tensor, given: Mapping) -> str | None:
    mean = given["x"].mean(0)
    if bool(((x_hat - mean) * (given["x"] - mean)).sum()):
        return None
    return "has no product with `x`: always saying the mean has no length to compare"


@guarded(
    x=(axes(2), precise, finite, varies),
    x_hat=(shaped_as("x"), precise, finite, _not_the_mean),
)
def output_scale(x: Float[Tensor, "n d"], x_hat: Float[Tensor, "n d"]) -> float:
    """Squares of `x_hat` over its products with `x`, both summed, and both from the mean of `x`.

    Below 1 the reconstruction has shrunk: all of it could be multiplied by one number above 1, and
    the error would fall. Source: arXiv 2404.16014, "relative reconstruction bias".
    """
    mean = x.mean(0)
    x, x_hat = x - mean, x_hat - mean
    return (x_hat.square().sum() / (x_hat * x).sum()).item()


RECALLED = 0.9  # a feature counts as found above this cosine


def _in_quarters(cosine: Tensor, _: Mapping) -> str | None:
    n = cosine.shape[-1]
    return None if n % 4 == 0 and n else f"has {n} features, which cannot be cut into quarters"


@guarded(cosine=(axes(2), finite, _in_quarters))
def by_quarter(cosine: Float[Tensor, "world feature"]) -> Float[Tensor, "4"]:
    """The recall of each quarter of the features, in their order: from common to rare."""
    return (cosine > RECALLED).float().unflatten(1, (4, -1)).mean((0, 2))


class Recovery(NamedTuple):
    """How a trained SAE does on fresh vectors of its world; or several, each in its own.

    Attributes:
        l0, unexplained, dead: active latents a vector; share of variance left; share of latents
            that never fire. Means, if there are several worlds.
        scale: `output_scale`, or the mean of several.
        cosine: each feature's `best_cosine`, among the latents that fire; [world, feature] if
            there are several.
    """

    l0: float
    unexplained: float
    dead: float
    scale: float
    cosine: Float[Tensor, "*world feature"]

    @property
    def recall(self) -> float:
        """The share of features that are found."""
        return (self.cosine > RECALLED).float().mean().item()

    @property
    def recalls(self) -> list[float]:
        """The same in each world."""
        return (self.cosine > RECALLED).float().mean(-1).tolist()


def _of_the_same_size(world: World, given: Mapping) -> str | None:
    d, d_in = world.directions.shape[1], given["sae"].d_in
    return None if d == d_in else f"has vectors of {d} numbers, and the SAE reads {d_in}"


@guarded(world=_of_the_same_size, n=count(low=2))
@torch.no_grad()
def recovery(sae: SAE, world: World, *, generator: torch.Generator, n: int = 10_000) -> Recovery:
    """What `sae` recovers of `world`, measured on `n` vectors from a generator such as `fresh`."""
    x, _ = draw(world, n, generator=generator)
    found = quality(sae, x)
    alive = found.density > 0
    cosine = torch.zeros(len(world.frequency))
    if alive.any():
        cosine = best_cosine(world.directions, sae.W_dec[alive])
    scale = output_scale(x, sae(x))
    return Recovery(found.l0, 1 - found.explained, found.dead, scale, cosine)


def fresh(number: int) -> torch.Generator:
    """A `world_generator` of vectors to measure on: no training draws these."""
    return world_generator(10_000_000 + number)


@guarded(saes=filled, worlds=as_long_as("saes"))
def recovery_in_all(saes: Sequence[SAE], worlds: Sequence[World]) -> Recovery:
    """What each of several SAEs recovers of its own world, put together."""
    pairs = enumerate(zip(saes, worlds, strict=True))
    each = [recovery(sae, world, generator=fresh(i)) for i, (sae, world) in pairs]
    *numbers, cosines = zip(*each, strict=True)
    return Recovery(*(sum(values) / len(values) for values in numbers), torch.stack(cosines))


@guarded(world=_of_the_same_size, n=count())
@torch.no_grad()
def activation_sizes(
    sae: SAE, world: World, *, generator: torch.Generator, n: int = 1000
) -> tuple[float, float]:
    """How large the activations of the found features are, beside the true coefficients.

    The mean activation of the latent nearest to a feature, over the mean coefficient of the
    feature, where both are active. Second, the same after the active latents' activations were
    chosen anew as the best there are for the vector (least squares).
    """
    x, coefficients = draw(world, n, generator=generator)
    acts = sae.encode(x)
    alive = (acts > 0).any(0)
    acts, directions = acts[:, alive], sae.W_dec[alive]
    # The normal equations of the active latents; an idle one has the equation "activation = 0".
    on = (acts > 0).to(acts)
    products = on[:, :, None] * (directions @ directions.T) * on[:, None, :]
    equations = products + torch.diag_embed(1 - on)
    best = torch.linalg.solve(equations, on * ((x - sae.b_dec) @ directions.T))
    cosine, nearest = (F.normalize(world.directions, dim=1) @ directions.T).max(dim=1)
    both = (coefficients > 0) & (on[:, nearest] > 0) & (cosine > RECALLED)
    whole = (coefficients * both).sum()
    return tuple(((each[:, nearest] * both).sum() / whole).item() for each in (acts, best))


@guarded(saes=filled, worlds=as_long_as("saes"))
def sizes_in_all(saes: Sequence[SAE], worlds: Sequence[World]) -> tuple[float, float]:
    """The means of `activation_sizes` of several SAEs, each in its own world."""
    pairs = enumerate(zip(saes, worlds, strict=True))
    each = [activation_sizes(sae, world, generator=fresh(i)) for i, (sae, world) in pairs]
    return tuple(sum(values) / len(values) for values in zip(*each, strict=True))


def _of_families(world: World, _: Mapping) -> str | None:
    return None if world.children else "has no families: make it by `families`"


@guarded(world=_of_families)
def family_parts(world: World) -> dict[str, Float[Tensor, "direction d"]]:
    """What a latent could stand for in a world of families: sums weigh coefficients by their mean.

    "parent + average child" is the mean of all vectors in which the parent is active.
    """
    parents = len(world.frequency) // (1 + world.children)
    parent, child = world.directions[:parents], world.directions[parents:]
    often = world.frequency[parents:] / world.frequency[:parents].repeat_interleave(world.children)
    average = (often[:, None] * child).unflatten(0, (parents, -1)).sum(1)
    return {
        "parent": parent,
        "parent + average child": parent + average,
        "parent + one child": parent.repeat_interleave(world.children, 0) + child,
        "child": child,
    }


@guarded(world=(_of_families, _of_the_same_size), n=count(low=2))
@torch.no_grad()
def latents_by_part(
    sae: SAE, world: World, *, generator: torch.Generator, n: int = 10_000
) -> dict[str, int]:
    """For each of the `family_parts`, how many latents that fire are nearest to one of that kind.

    "other" counts those of which no part comes nearer than `RECALLED`.
    """
    x, _ = draw(world, n, generator=generator)
    living = sae.W_dec[quality(sae, x).density > 0]
    parts = family_parts(world)
    cosine, part = torch.stack([best_cosine(living, each) for each in parts.values()]).max(0)
    part[cosine <= RECALLED] = len(parts)
    return dict(
        zip([*parts, "other"], part.bincount(minlength=len(parts) + 1).tolist(), strict=True)
    )


@guarded(world=(_of_families, _of_the_same_size), n=count())
@torch.no_grad()
def family_fires(
    sae: SAE, world: World, *, generator: torch.Generator, n: int = 10_000
) -> dict[str, list[tuple[int, int]]]:
    """How often the latents of parents, and of pairs, fire where their features are active.

    A parent's latent is the one nearest to it; a pair's, the one nearest to the sum of the parent
    and the child. Where that cosine is not above `RECALLED` there is no such latent.

    Returns:
        For each case the (firings, vectors) of every parent or pair that has a latent: "alone", no
        child of the parent is active; "with a child"; of these, "larger", the parent's coefficient
        is the larger one by 0.3 or more, and "smaller", the child's is; and "pair".
    """
    parents = len(world.frequency) // (1 + world.children)
    x, coefficients = draw(world, n, generator=generator)
    fires = sae.encode(x) > 0
    alive = fires.any(0)
    fires, living = fires[:, alive], F.normalize(sae.W_dec[alive])

    def counts(direction: Float[Tensor, " d"], *cases: Bool[Tensor, " n"]):
        cosine, nearest = (living @ F.normalize(direction, dim=0)).max(0)
        if cosine <= RECALLED:
            return ()
        return [((fires[:, nearest] & where).sum().item(), where.sum().item()) for where in cases]

    found = {case: [] for case in ("alone", "with a child", "larger", "smaller", "pair")}
    pairs = family_parts(world)["parent + one child"].unflatten(0, (parents, -1))
    for i, children in enumerate(coefficients[:, parents:].unflatten(1, (parents, -1)).unbind(1)):
        parent, child = coefficients[:, i], children.sum(1)
        both, more = child > 0, parent - child
        cases = (parent > 0) & ~both, both, both & (more >= 0.3), both & (more <= -0.3)
        for case, times in zip(found, counts(world.directions[i], *cases), strict=False):
            found[case].append(times)
        for j, direction in enumerate(pairs[i]):
            found["pair"] += counts(direction, children[:, j] > 0)
    return found


@guarded(saes=filled, worlds=as_long_as("saes"))
def families_in_all(
    saes: Sequence[SAE], worlds: Sequence[World]
) -> tuple[dict[str, float], dict[str, float]]:
    """The means of `latents_by_part`, each SAE in its own world, and the shares of `family_fires`.

    A share is NaN where fewer than half of the parents, or of the pairs, have a latent.
    """
    several = list(enumerate(zip(saes, worlds, strict=True)))
    counts = [latents_by_part(sae, world, generator=fresh(i)) for i, (sae, world) in several]
    means = {part: sum(each[part] for each in counts) / len(counts) for part in counts[0]}
    fires = [family_fires(sae, world, generator=fresh(i)) for i, (sae, world) in several]
    n_parents = sum(len(world.frequency) // (1 + world.children) for world in worlds)
    shares = {}
    for case in fires[0]:
        all_counts = [times for each in fires for times in each[case]]
        there_are = n_parents * worlds[0].children if case == "pair" else n_parents
        enough = 2 * len(all_counts) >= there_are
        hits, total = (sum(each) for each in zip(*all_counts, strict=True)) if enough else (0, 0)
        shares[case] = hits / total if enough else float("nan")
    return means, shares


@guarded(world=_of_the_same_size, number=count(low=0), batch_size=count())
def fit(
    sae: SAE,
    world: World,
    *,
    number: int,
    steps: int = 1000,
    batch_size: int = 256,
    lr: float = 1e-2,
    dead_after: int = 50,
    without_features: bool = False,
) -> SAE:
    """Train an SAE on fresh vectors of a world, from a `b_dec` at their mean; gives it back.

    Args:
        number: of the training. Each of its steps draws from a generator of its own.
        without_features: a control. The vectors are normal ones, with the mean and the covariance
            of the world's, so that no direction is sparse.
    """
    first, _ = draw(world, 10_000, generator=world_generator(20_000_000 + number))
    mean = first.mean(0)
    scale = (first - mean).square().sum(1).mean().sqrt().item()
    sae.b_dec.data.copy_(mean / scale)

    own = torch.Generator().manual_seed(30_000_000 + number)
    normal = gaussian(torch.cov(first.T), generator=own)

    def batches(step: int) -> Float[Tensor, "batch d"]:
        generator = world_generator(100_000 * (1 + number) + step)
        x, _ = draw(world, batch_size, generator=generator)
        return mean + normal(x) if without_features else x

    train(sae, batches, steps=steps, lr=lr, scale=scale, dead_after=dead_after)
    return sae


@guarded(worlds=filled)
def fit_in_all(make: Callable[..., SAE], worlds: Sequence[World], **how) -> list[SAE]:
    """An SAE for each world, trained in it.

    Args:
        make: gives an SAE, from a `generator`: number 0 for the first world, and so on.
        how: goes to `fit`.
    """
    return [
        fit(make(generator=torch.Generator().manual_seed(i)), world, number=i, **how)
        for i, world in enumerate(worlds)
    ]
