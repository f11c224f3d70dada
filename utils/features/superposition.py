"""Toy models of superposition: more features than dimensions, on data that is mostly zero.

The toys are those of Elhage et al. (2022), *Toy Models of Superposition*, arXiv 2209.10652. Many
toys are trained at once: each tensor has a first axis [model], and a sum of their losses leaves
each toy's gradient its own. A row of `W` is the direction of one feature.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.features.guards import at_most, between
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    floating,
    guarded,
    number,
)

_SHARES = (axes(1), filled, between(0, 1, over=True))


@guarded(density=_SHARES, batch_size=count(), n=count())
def sparse_features(
    density: Float[Tensor, " model"], *, batch_size: int, n: int, generator: torch.Generator
) -> Float[Tensor, "model batch feature"]:
    """Features that are 0, or with probability `density` uniform between 0 and 1; all independent.

    One random number does both jobs: its place in the top `density` of [0, 1] is the value.
    """
    drawn = torch.rand(len(density), batch_size, n, generator=generator)
    density = density[:, None, None]
    return (drawn - (1 - density)).clamp(min=0) / density


# ---- Training -----------------------------------------------------------------------------------


@guarded(importance=(between(0), filled), dim=count(), steps=count())
def train_toys(
    draw: Callable[[], Float[Tensor, "model batch feature"]],
    importance: Float[Tensor, "... feature"],
    *,
    dim: int,
    steps: int,
    generator: torch.Generator,
    relu: bool = True,
) -> tuple[Float[Tensor, "model feature dim"], Float[Tensor, "model feature"]]:
    """Trains many toys at once, each on its own data, and returns W and b, detached.

    A toy answers ReLU(W W^T x + b). Its loss is the squared error times importance, summed over
    features and averaged over the batch. W starts at random (Gaussian, divided by sqrt(n) for n
    features) and b at 0. Adam's learning rate falls from 0.01 to 0 along a cosine.

    Args:
        draw: called without arguments, it returns fresh data, [model, batch, feature].
        importance: of each feature, [feature], or for each toy, [model, feature].
        generator: of the first weights.
        relu: False leaves the ReLU out: the linear control.
    """
    models, _, n = draw().shape
    W = torch.randn(models, n, dim, generator=generator) / n**0.5
    W, b = W.requires_grad_(), torch.zeros(models, n, requires_grad=True)
    optimiser = torch.optim.Adam([W, b], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x = draw()
        out = x @ W @ W.mT + b[:, None]
        out = out.relu() if relu else out
        loss = ((out - x).square().mean(1) * importance).sum(-1)  # [model]
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        schedule.step()
    return W.detach(), b.detach()


@guarded(steps=filled, tolerance=number(low=0))
def settled_at(
    train_for: Callable[[int], Float[Tensor, "model feature dim"]],
    steps: Sequence[int],
    *,
    tolerance: float,
) -> tuple[list[float], int | None]:
    """How many features toys keep after so many steps, and from when on that number stays.

    Args:
        train_for: trains toys from their start for so many steps, and returns their W.
        steps: rising numbers of steps.
        tolerance: a number counts as settled if it, and each later one, is within this of the last.

    Returns:
        For each of `steps` the features kept, the mean over toys (a direction longer than 0.5 is
        kept); and the first of `steps` from which on they are settled. None if that is only the
        last, which has nothing later to agree with.
    """
    counts = []
    for number_of_steps in steps:
        is_kept = train_for(number_of_steps).norm(dim=-1) > 0.5
        counts.append(is_kept.float().sum(-1).mean().item())
    for i, first in enumerate(steps[:-1]):
        if all(abs(later - counts[-1]) <= tolerance for later in counts[i:]):
            return counts, first
    return counts, None


# ---- Geometry -----------------------------------------------------------------------------------


@guarded(densities=_SHARES, toys=count())
def geometry_sweep(
    train: Callable[[Float[Tensor, " model"]], Float[Tensor, "model feature dim"]],
    densities: Float[Tensor, " density"],
    *,
    toys: int,
) -> tuple[Float[Tensor, "density toy feature"], Float[Tensor, "density toy"]]:
    """Trains several toys at each density, and measures how features share dimensions.

    Source: Elhage et al. (2022), arXiv 2209.10652.

    Args:
        train: given a density for each toy, it trains them together and returns their W.
        toys: how many at each density.

    Returns:
        The dimensionality D of every feature, D_i = |W_i|^2 / sum_j (u_i . W_j)^2, where u_i is W_i
        at length 1 and j runs over all features, i too; 0 for a feature whose W_i is 0. And for
        each toy its dimensions per feature, dim / sum_i |W_i|^2.
    """
    W = train(densities.repeat_interleave(toys))  # [model, feature, dim]
    length = W.norm(dim=-1)
    unit = W / length.clamp(min=1e-6)[..., None]
    on_it = (unit @ W.mT).square().sum(-1)
    D = length.square() / on_it.clamp(min=1e-12)
    per_feature = W.shape[-1] / length.square().sum(-1)
    return D.view(len(densities), toys, -1), per_feature.view(len(densities), toys)


def kept(W: Float[Tensor, "model feature dim"]) -> Bool[Tensor, "model feature"]:
    """Which features have a direction longer than 0.5."""
    return W.norm(dim=-1) > 0.5


@guarded(W=(axes(2), floating, finite))
def turned(W: Float[Tensor, "feature xy=2"]) -> Float[Tensor, "feature xy=2"]:
    """The same directions, turned so that feature 0 points right, and feature 1 not down."""
    x, y = torch.nn.functional.normalize(W[0], dim=0)
    W = W @ torch.stack([torch.stack([x, -y]), torch.stack([y, x])])
    return W * torch.tensor([1.0, -1.0 if len(W) > 1 and W[1, 1] < -1e-3 else 1.0])


# ---- Phases -------------------------------------------------------------------------------------


@guarded(importance=(axes(1), between(0)))
def phase_border(importance: Float[Tensor, " setting"]) -> Float[Tensor, " setting"]:
    """The density below which two features share one dimension, for each relative importance.

    Args:
        importance: of feature 1; feature 0 has importance 1.
    """
    dropped = importance.clamp(max=1)  # the less important one is dropped
    # dropped * (p/3 - p^2/4) = p^2 (1 + importance) / 6, solved for p
    return (dropped / 3) / ((1 + importance) / 6 + dropped / 4)


def _pairs(W: Tensor, _: Mapping) -> str | None:
    return None if W.shape[1] == 2 else f"has {W.shape[1]} features: the sum is over pairs"


@guarded(
    W=(axes(3), _pairs),
    b=(axes(2), as_long_as("W")),
    density=(axes(1), as_long_as("W"), between(0, 1)),
    importance=(axes(2), as_long_as("W"), between(0)),
)
def exact_pair_loss(
    W: Float[Tensor, "model feature=2 dim"],
    b: Float[Tensor, "model feature=2"],
    density: Float[Tensor, " model"],
    importance: Float[Tensor, "model feature=2"],
) -> Float[Tensor, " model"]:
    """The loss of toys with two features, without sampling: a sum over who is active and a grid.

    Sampled losses are too noisy to compare where both are active once in a thousand rows.
    """
    value, zero = (torch.arange(40) + 0.5) / 40, torch.zeros(1)
    total = torch.zeros(len(W))
    for first in (zero, value):
        for second in (zero, value):
            x = torch.cartesian_prod(first, second).expand(len(W), -1, 2)
            chance = 1.0
            for values in (first, second):
                chance = chance * (density if len(values) > 1 else 1 - density)
            error = ((x @ W @ W.mT + b[:, None]).relu() - x).square().mean(1)
            total = total + chance * (error * importance).sum(-1)
    return total


# ---- Reading many features ----------------------------------------------------------------------


def random_units(*size: int, generator: torch.Generator) -> Float[Tensor, "... dim"]:
    """Random directions of length 1, all equally probable."""
    return torch.nn.functional.normalize(torch.randn(*size, generator=generator), dim=-1)


def _no_more_than_there_are(ks: Sequence[int], given: Mapping) -> str | None:
    n = len(given["directions"])
    odd = [k for k in ks if not 1 <= k <= n]
    return f"has {odd[0]}: active are 1 to {n} features" if odd else None


@guarded(
    directions=(axes(2), finite),
    ks=(filled, _no_more_than_there_are),
    decoders=filled,
    draws=count(low=2),
)
def decode_sweep(
    directions: Float[Tensor, "feature dim"],
    ks: Sequence[int],
    decoders: Mapping[str, Callable[[Tensor], Tensor]],
    *,
    draws: int,
    generator: torch.Generator,
) -> dict[str, list[float]]:
    """How well decoders recover k active features from the sum of their directions.

    In each draw k random features are 1 and all others 0. A feature's reading is the dot product of
    its direction with the sum. A decoder turns readings, [draw, feature], into estimates, which are
    then multiplied by one number, its gain. For each k, this is the gain with the lowest squared
    error on the first half of the draws. All decoders see the same draws.

    Returns:
        For each decoder and k: the squared error on the second half of the draws, summed over all
        features and divided by k, the mean over draws. Always answering 0 has an error of 1.
    """
    n, half = len(directions), draws // 2
    errors = {name: [] for name in decoders}
    for k in ks:
        x = torch.zeros(draws, n)
        for row in x:
            row[torch.randperm(n, generator=generator)[:k]] = 1
        readings = x @ directions @ directions.T
        for name, decode in decoders.items():
            estimates = decode(readings)
            gain = (estimates * x)[:half].sum() / estimates[:half].square().sum()
            squared = (gain * estimates - x)[half:].square().sum(-1)
            errors[name].append(squared.mean().item() / k)
    return errors


# ---- Real neurons -------------------------------------------------------------------------------


@guarded(model=evaluating, tokens=axes(2), k=(count(), at_most("tokens")), batch_size=count())
def top_contexts(
    model,
    tokens: Int[Tensor, "text pos"],
    *,
    layer: int,
    neurons: Sequence[int],
    k: int,
    batch_size: int = 32,
) -> tuple[Float[Tensor, "neuron k"], Int[Tensor, "neuron k"], Int[Tensor, "neuron k"]]:
    """Where MLP neurons are most active: in k different texts each, the highest first.

    Args:
        tokens: texts of one length, each with BOS first. BOS itself does not count.
        neurons: their numbers, in the MLP of block `layer`.
        batch_size: how many texts to run at a time.

    Returns:
        For each neuron and its k texts: the highest activation in that text, which text it is, and
        at which position.
    """
    name = f"blocks.{layer}.mlp.hook_post"
    values, positions = [], []
    for batch in tokens.split(batch_size):
        with torch.no_grad():
            _, cache = model.run_with_cache(batch, names_filter=[name], stop_at_layer=layer + 1)
        highest = cache[name][:, 1:, neurons].max(dim=1)  # over positions
        values.append(highest.values)
        positions.append(highest.indices + 1)
    top = torch.cat(values).topk(k, dim=0)
    at = torch.cat(positions).gather(0, top.indices)
    return top.values.T, top.indices.T, at.T


@guarded(vectors=(axes(3), finite))
def alike(vectors: Float[Tensor, "set k d_model"]) -> Float[Tensor, " set"]:
    """For each set of k vectors the mean cosine of two different ones."""
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    k = unit.shape[1]
    return (unit.sum(1).square().sum(-1) - k) / (k * (k - 1))


# ---- The investigation --------------------------------------------------------------------------


class UnknownToy:
    """A toy of eight features in four dimensions; it answers rows as long as its budget lasts."""

    def __init__(self, budget: int = 6):
        self.left = budget
        half, height = 0.5, 0.75**0.5
        shapes = {5: (1, 0, 0, 0), 2: (0, 1, 0, 0), 7: (0, -1, 0, 0)}
        shapes |= {0: (0, 0, 1, 0), 3: (0, 0, -half, height), 6: (0, 0, -half, -height)}
        W = torch.zeros(8, 4)
        for feature, direction in shapes.items():
            W[feature] = torch.tensor(direction)
        turn, _ = torch.linalg.qr(torch.arange(16.0).square().cos().view(4, 4))
        self._W = W @ turn
        self._b = torch.where(W.any(1), 0.0, 0.05)

    def __call__(self, row: Sequence[float] | Float[Tensor, " feature=8"]) -> Tensor:
        """The toy's answers to one row, [8]; a ValueError where the budget is spent."""
        x = torch.as_tensor(row, dtype=torch.float32)
        if x.shape != (8,):
            raise ValueError(f"A row has 8 numbers, and this has shape {tuple(x.shape)}.")
        if self.left < 1:
            raise ValueError("The budget is spent: start again with a new `UnknownToy()`.")
        self.left -= 1
        return (x @ self._W @ self._W.T + self._b).relu()
