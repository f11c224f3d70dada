"""Toy models of superposition: more features than dimensions, on data that is mostly zero.

The toys are those of Elhage et al. (2022), *Toy Models of Superposition*, arXiv 2209.10652. Many
toys are trained at once: each tensor has a first axis [model], and a sum of their losses leaves
each toy's gradient its own. A row of `W` is the direction of one feature.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.features.guards import at_most, between
from utils.guards import (
    as_long_as,
    axes,
    count,
    filled,
    finite,
    floating,
    guarded,
    index_of,
    shaped_as,
)

_SHARES = (axes(1), filled, between(0, 1, over=True))
_IMPORTANCE = (axes(2), as_long_as("density"), between(0))


def _steps_of_the_training(keep: Collection[int], given: Mapping) -> str | None:
    beyond = [step for step in keep if not 0 <= step <= given["steps"]]
    return f"has step {beyond[0]}, and there are {given['steps']} steps" if beyond else None


def _different_in_a_row(active: Tensor, _: Mapping) -> str | None:
    ordered = active.sort(-1).values
    twice = bool((ordered[..., 1:] == ordered[..., :-1]).any())
    return "names a feature twice in one draw" if twice else None


def _signs(wiring: Tensor, _: Mapping) -> str | None:
    if not bool(((wiring.abs() == 1) | (wiring == 0)).all()):
        return "holds other numbers than +1, -1 and 0"
    return None if bool(wiring.any(-1).all()) else "has a feature without a neuron: wire it"


class Trained(NamedTuple):
    """Toys after training, and what `W` was at the steps that were kept."""

    W: Float[Tensor, "model feature dim"]
    b: Float[Tensor, "model feature"]
    kept: Float[Tensor, "step model feature dim"]


@guarded(density=_SHARES, batch_size=count(), n=count())
def sparse_features(
    density: Float[Tensor, " model"], *, batch_size: int, n: int, generator: torch.Generator
) -> Float[Tensor, "model batch feature"]:
    """Features that are 0, or with probability `density` uniform between 0 and 1; all independent.

    One random number does both jobs: where it lies in the top `density` of [0, 1], its place there
    is the value.
    """
    drawn = torch.rand(len(density), batch_size, n, generator=generator)
    density = density[:, None, None]
    return (drawn - (1 - density)).clamp(min=0) / density


def toy_output(
    x: Float[Tensor, "model batch feature"],
    W: Float[Tensor, "model feature dim"],
    b: Float[Tensor, "model feature"],
    *,
    relu: bool = True,
) -> Float[Tensor, "model batch feature"]:
    """Each toy's reconstruction of its features: down to `dim` numbers, and back by the same W."""
    out = torch.baddbmm(b[:, None], x @ W, W.mT)
    return out.relu() if relu else out


def weighted_loss(
    out: Float[Tensor, "model batch feature"],
    x: Float[Tensor, "model batch feature"],
    importance: Float[Tensor, "model feature"],
) -> Float[Tensor, " model"]:
    """Each toy's loss: squared errors weighted by importance.

    Args:
        out: the toys' reconstructions of the features.
        x: the features.
        importance: of each feature.
    """
    return ((out - x).square().mean(1) * importance).sum(-1)


@guarded(W=(axes(3), floating, finite))
def dimensionality(W: Float[Tensor, "model feature dim"]) -> Float[Tensor, "model feature"]:
    """The share of a dimension that each feature has; 0 for a feature whose direction is 0.

    Source: Elhage et al. (2022), arXiv 2209.10652.
    """
    length = W.norm(dim=-1)
    unit = W / length.clamp(min=1e-6)[..., None]
    on_it = (unit @ W.transpose(1, 2)) ** 2  # [model, feature i, feature j]
    return length**2 / on_it.sum(-1).clamp(min=1e-12)


@guarded(density=(axes(1), between(0, 1)), importance=(axes(1), as_long_as("density"), between(0)))
def two_in_one_losses(
    density: Float[Tensor, " setting"], importance: Float[Tensor, " setting"]
) -> Float[Tensor, "setting choice=3"]:
    """Losses of three ways to put two features into one dimension.

    The choices: keep only feature 0, keep only feature 1 (what is left out is answered by its
    mean), or both as opposites, W = [1, -1] and b = 0.

    Args:
        density: the probability that a feature is not 0.
        importance: of feature 1; feature 0 has importance 1.
    """
    variance = density / 3 - density**2 / 4
    both = density**2 * (1 + importance) / 6
    return torch.stack([importance * variance, variance, both], dim=-1)


@guarded(
    directions=(axes(2), finite), active=(axes(2), index_of("directions"), _different_in_a_row)
)
def read_out(
    directions: Float[Tensor, "feature dim"], active: Int[Tensor, "draw k"]
) -> Float[Tensor, "draw feature"]:
    """What each feature reads when the directions of the active ones are added up.

    Args:
        directions: of all features.
        active: the numbers of the k active features of each draw; each has the value 1.
    """
    total = directions[active].sum(1)  # [draw, dim]
    return total @ directions.T


@guarded(x=finite, wiring=(axes(2), _signs))
def shared_abs(
    x: Float[Tensor, "row feature"], wiring: Float[Tensor, "feature neuron"]
) -> Float[Tensor, "row feature"]:
    """An estimate of |x|, from ReLU neurons that features share.

    A neuron is the ReLU of the sum of its features, each times its sign. A feature is read as twice
    the mean of the neurons that it is wired to: half of them see it with the sign that passes.

    Args:
        wiring: +1 or -1, or 0 where a neuron does not see a feature. Every feature has a neuron.
    """
    neurons = (x @ wiring).relu()  # [row, neuron]
    wired = wiring.abs()  # 1 where a feature has a neuron
    return 2 * neurons @ (wired / wired.sum(1, keepdim=True)).T


def _varies_over_rows(target: Tensor, _: Mapping) -> str | None:
    if target.shape[1] > 1 and bool((target != target[:, :1]).any(1).all()):
        return None
    return "has a feature that never varies: there is no variance to divide by"


@guarded(out=shaped_as("target"), target=(axes(3), _varies_over_rows))
def relative_error(
    out: Float[Tensor, "model batch feature"], target: Float[Tensor, "model batch feature"]
) -> Float[Tensor, "model feature"]:
    """Squared error over the target's variance: 1 for always saying the mean, 0 for no error."""
    return (out - target).square().mean(1) / target.var(1, correction=0)


# ---- Training -----------------------------------------------------------------------------------


@guarded(
    density=_SHARES,
    importance=_IMPORTANCE,
    dim=count(),
    steps=count(),
    batch_size=count(),
    keep=_steps_of_the_training,
)
def train_toys(
    density: Float[Tensor, " model"],
    importance: Float[Tensor, "model feature"],
    *,
    dim: int,
    steps: int,
    generator: torch.Generator | None = None,
    batch_size: int = 256,
    relu: bool = True,
    keep: Collection[int] = (),
) -> Trained:
    """Trains one toy for each entry of `density`, all in one go, on fresh data at each step.

    Toys with the same setting differ by their first weights and by their data.

    Args:
        generator: of first weights and data; without one, they are the same in each call.
        keep: steps after which to keep a copy of W; 0 is before training.
    """
    generator = generator or torch.Generator().manual_seed(0)
    models, n = importance.shape
    W = torch.randn(models, n, dim, generator=generator) * (2 / (n + dim)) ** 0.5

    def loss(W: Tensor, b: Tensor) -> Tensor:
        x = sparse_features(density, batch_size=batch_size, n=n, generator=generator)
        return weighted_loss(toy_output(x, W, b, relu=relu), x, importance)

    (W, b), kept = _descend([W, torch.zeros(models, n)], loss, steps=steps, keep=keep)
    return Trained(W, b, torch.stack(kept) if kept else W.new_zeros(0, *W.shape))


def _of_length_1(directions: Tensor, _: Mapping) -> str | None:
    length = directions.norm(dim=-1)
    return None if bool(((length - 1).abs() < 1e-3).all()) else "has directions not of length 1"


@guarded(directions=(axes(3), as_long_as("density"), _of_length_1), density=_SHARES, steps=count())
def fit_scale_and_bias(
    directions: Float[Tensor, "model feature dim"],
    density: Float[Tensor, " model"],
    *,
    steps: int,
    generator: torch.Generator | None = None,
    relu: bool = True,
    own: bool = False,
) -> Trained:
    """Toys whose directions stay as they are: only one length and one bias each are trained.

    Args:
        directions: of length 1.
        generator: of the data; without one, they are the same in each call.
        own: every feature gets a length and a bias of its own.
    """
    generator = generator or torch.Generator().manual_seed(0)
    models, n, _ = directions.shape
    size = (models, n if own else 1)

    def toy(length: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        return directions * length[..., None], bias.expand(models, n)

    def loss(length: Tensor, bias: Tensor) -> Tensor:
        x = sparse_features(density, batch_size=256, n=n, generator=generator)
        out = toy_output(x, *toy(length, bias), relu=relu)
        return weighted_loss(out, x, torch.ones(models, n))

    start = [torch.full(size, 0.7), torch.zeros(size)]
    (length, bias), _ = _descend(start, loss, steps=steps)
    W, b = toy(length, bias)
    return Trained(W, b, W.new_zeros(0, *W.shape))


@guarded(density=_SHARES, n=count(), neurons=count(), steps=count())
def train_abs(
    density: Float[Tensor, " model"],
    *,
    n: int,
    neurons: int,
    steps: int,
    relu: bool,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "model feature"]:
    """Trains nets to compute |x| of `n` features, and gives their relative errors on fresh data.

    y = ReLU(W2 h + b) from h = ReLU(W1 x), as in the paper; features are 0 or, with probability
    `density`, uniform between -1 and 1.

    Args:
        relu: False leaves the ReLU of the hidden layer out, but not that of the output.
        generator: of first weights and data; without one, they are the same in each call.
    """
    generator = generator or torch.Generator().manual_seed(0)
    models, spread = len(density), (2 / (n + neurons)) ** 0.5

    def data(batch_size: int) -> Tensor:
        x = sparse_features(density, batch_size=batch_size, n=n, generator=generator)
        return torch.where(torch.rand(x.shape, generator=generator) < 0.5, -x, x)

    def net(x: Tensor, W1: Tensor, W2: Tensor, b: Tensor) -> Tensor:
        hidden = (x @ W1).relu() if relu else x @ W1
        return torch.baddbmm(b[:, None], hidden, W2).relu()

    def loss(*weights: Tensor) -> Tensor:
        x = data(256)
        return weighted_loss(net(x, *weights), x.abs(), torch.ones(models, n))

    start = [
        torch.randn(models, n, neurons, generator=generator) * spread,
        torch.randn(models, neurons, n, generator=generator) * spread,
        torch.zeros(models, n),
    ]
    weights, _ = _descend(start, loss, steps=steps)
    x = data(20_000)
    return relative_error(net(x, *weights), x.abs())


def _descend(
    start: list[Tensor],
    loss: Callable[..., Float[Tensor, " model"]],
    *,
    steps: int,
    keep: Collection[int] = (),
) -> tuple[list[Tensor], list[Tensor]]:
    """Adam on the sum of the toys' losses: the weights at the end, and the first of them at `keep`.

    The rate falls from 0.01 to zero along a cosine.
    """
    weights = [weight.clone().requires_grad_() for weight in start]
    optimiser = torch.optim.Adam(weights, lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    kept = [start[0].clone()] if 0 in keep else []
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        loss(*weights).sum().backward()
        optimiser.step()
        schedule.step()
        if step in keep:
            kept.append(weights[0].detach().clone())
    return [weight.detach() for weight in weights], kept


def _pairs(W: Tensor, _: Mapping) -> str | None:
    return None if W.shape[1] == 2 else f"has {W.shape[1]} features: the sum is over pairs"


@guarded(
    W=(axes(3), _pairs),
    b=(axes(2), as_long_as("W")),
    density=(axes(1), as_long_as("W"), between(0, 1)),
    importance=(axes(2), as_long_as("W"), between(0)),
    grid=count(),
)
def exact_pair_loss(
    W: Float[Tensor, "model feature=2 dim"],
    b: Float[Tensor, "model feature=2"],
    density: Float[Tensor, " model"],
    importance: Float[Tensor, "model feature=2"],
    *,
    grid: int = 40,
) -> Float[Tensor, " model"]:
    """The loss of toys with two features, without sampling: a sum over who is active and a grid.

    Sampled losses are too noisy to compare where both are active once in a thousand rows.
    """
    value = (torch.arange(grid) + 0.5) / grid
    zero = torch.zeros(1)
    total = torch.zeros(len(W))
    for first in (zero, value):
        for second in (zero, value):
            x = torch.cartesian_prod(first, second).expand(len(W), -1, 2)
            chance = 1.0
            for values in (first, second):
                chance = chance * (density if len(values) > 1 else 1 - density)
            total = total + chance * weighted_loss(toy_output(x, W, b), x, importance)
    return total


def random_units(*size: int, generator: torch.Generator) -> Float[Tensor, "... dim"]:
    """Random directions of length 1, all equally probable."""
    return torch.nn.functional.normalize(torch.randn(*size, generator=generator), dim=-1)


def _neurons_enough(each: int, given: Mapping) -> str | None:
    n = given["neurons"]
    return None if each <= n else f"is {each}, and there are {n} neurons: take fewer"


@guarded(n=count(), neurons=count(), each=(count(), _neurons_enough))
def random_wiring(
    n: int, neurons: int, *, each: int, generator: torch.Generator
) -> Float[Tensor, "feature neuron"]:
    """Each feature is seen by `each` random neurons, with random signs, and by no other."""
    chosen = torch.rand(n, neurons, generator=generator).topk(each).indices
    signs = torch.randint(0, 2, (n, each), generator=generator) * 2.0 - 1
    return torch.zeros(n, neurons).scatter(1, chosen, signs)


# ---- What the lesson counts ---------------------------------------------------------------------


def kept(W: Float[Tensor, "model feature dim"]) -> Bool[Tensor, "model feature"]:
    """Which features have a direction longer than 0.5."""
    return W.norm(dim=-1) > 0.5


def _its_own_density(density: Tensor, given: Mapping) -> str | None:
    n = len(given["toys"].W)
    return None if len(density) == n else f"has {len(density)} entries, and there are {n} toys"


@guarded(density=(*_SHARES, _its_own_density), importance=(axes(1), between(0)))
def loss_shares(
    toys: Trained,
    density: Float[Tensor, " model"],
    importance: Float[Tensor, " feature"],
    *,
    relu: bool = True,
) -> Float[Tensor, " model"]:
    """Each toy's loss on fresh data, as a share of what always answering the mean would cost."""
    n = len(importance)
    weight = importance.expand(len(density), n)
    x = sparse_features(density, batch_size=8000, n=n, generator=torch.Generator().manual_seed(99))
    loss = weighted_loss(toy_output(x, toys.W, toys.b, relu=relu), x, weight)
    return loss / (x.var(1) * weight).sum(-1)


@guarded(density=(*_SHARES, _its_own_density))
def fresh_errors(
    toys: Trained, density: Float[Tensor, " model"], *, relu: bool = True
) -> Float[Tensor, " model"]:
    """Each toy's relative error on fresh data of a density, the mean over features."""
    n = toys.W.shape[1]
    x = sparse_features(density, batch_size=8000, n=n, generator=torch.Generator().manual_seed(5))
    return relative_error(toy_output(x, toys.W, toys.b, relu=relu), x).mean(-1)


@guarded(values=(filled, finite), targets=filled)
def share_near(values: Float[Tensor, " value"], *targets: float) -> float:
    """Share of the values within 0.01 of one of the targets."""
    distance = (values[:, None] - torch.tensor(targets)).abs().amin(1)
    return (distance < 0.01).double().mean().item()


def pair_cosines(W: Float[Tensor, "model feature dim"]) -> Float[Tensor, "model pair"]:
    """The cosine of every pair of different features."""
    units = torch.nn.functional.normalize(W, dim=-1)
    first, second = torch.triu_indices(W.shape[1], W.shape[1], 1)
    return (units @ units.mT)[:, first, second]


def _not_constant(values: Tensor, _: Mapping) -> str | None:
    constant = values.numel() < 2 or bool((values == values.flatten()[0]).all())
    return "is the same everywhere: no line has a slope there" if constant else None


@guarded(reads=(shaped_as("target"), finite, _not_constant), target=(finite, _not_constant))
def line_error(
    reads: Float[Tensor, "row feature"], target: Float[Tensor, "row feature"], *, gate: bool = False
) -> float:
    """Squared error over the target's variance, after the best scale and offset for all features.

    Args:
        gate: before that, a ReLU with the best of 25 thresholds from 0 to 1.2.
    """
    tried = [(reads - t).relu() for t in torch.linspace(0, 1.2, 25)] if gate else [reads]
    tried = [each for each in tried if not _not_constant(each, {})] or [reads]
    return min(
        1 - torch.corrcoef(torch.stack([r.flatten(), target.flatten()]))[0, 1].item() ** 2
        for r in tried
    )


@guarded(directions=(axes(2), finite), k=(count(), at_most("directions")), draws=count())
def pursuit(
    directions: Float[Tensor, "feature dim"], k: int, *, draws: int, generator: torch.Generator
) -> Float[Tensor, " draw"]:
    """As `reading`'s `right`, for a reader that takes away what it has found before it goes on.

    Orthogonal matching pursuit: k times, take the feature that reads highest off what is left, fit
    all found so far by least squares, and take their sum away.
    """
    right = []
    for _ in range(draws):
        active = torch.randperm(len(directions), generator=generator)[:k]
        total = left = directions[active].sum(0)
        found: list[int] = []
        for _ in range(k):
            reads = directions @ left
            reads[found] = -torch.inf
            found.append(int(reads.argmax()))
            basis = directions[found].T
            left = total - basis @ torch.linalg.lstsq(basis, total[:, None]).solution[:, 0]
        right.append(len(set(found) & set(active.tolist())) / k)
    return torch.tensor(right)


@guarded(directions=(axes(2), finite), k=(count(), at_most("directions")), draws=count())
def reading(
    directions: Float[Tensor, "feature dim"], k: int, *, draws: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """How well k random features are read off the sum of their directions, of length 1 each.

    Returns:
        `noise`: the spread of what inactive features read; `false alarms`: how many of them read
        more than 1/2, [draw]; `right`: which share of the k highest is active, [draw].
    """
    n = len(directions)
    active = torch.stack([torch.randperm(n, generator=generator)[:k] for _ in range(draws)])
    reads = read_out(directions, active)
    on = torch.zeros(reads.shape, dtype=torch.bool).scatter(1, active, True)
    return {
        "noise": reads[~on].std(),
        "false alarms": ((reads > 0.5) & ~on).sum(1).double(),
        "right": on.gather(1, reads.topk(k).indices).double().mean(1),
    }
