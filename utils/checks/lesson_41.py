"""Checks of lesson 4.1, superposition."""

import math

import torch
from torch import Tensor

from utils.checks.engine import exercise, expect, investigation, match


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class _Data:
    """A `draw` that counts its calls; after `switch` calls its data are others.

    Each feature is uniform from 0 to 1, plus `shift`, plus a number that a row's features share.
    """

    def __init__(self, *, models, n, shift=0.0, shared=0.0, density=1.0, batch=64):
        self.size, self.shift, self.shared, self.density = (
            (models, batch, n),
            shift,
            shared,
            density,
        )
        self.calls, self.switch, self.generator = 0, 10**9, _seeded(7)

    def __call__(self) -> Tensor:
        self.calls += 1
        x = torch.rand(self.size, generator=self.generator)
        x = x * (torch.rand(self.size, generator=self.generator) < self.density) + self.shift
        common = torch.rand(self.size, generator=self.generator)[..., :1]
        return (x + self.shared * common) * (-3 if self.calls > self.switch else 1)


def _best_line(importance: list[float], shared: float) -> Tensor:
    """W W^T of the best linear toy with one dimension, for `_Data` with two features: by a grid."""
    C = (torch.eye(2) + shared**2) / 12
    length, turn = torch.linspace(0.5, 1.5, 201), torch.linspace(0, math.pi, 721)
    w = torch.stack([turn.cos(), turn.sin()], -1) * length[:, None, None]
    M = w[..., :, None] * w[..., None, :] - torch.eye(2)
    loss = torch.einsum("...ij,jk,...ik,i->...", M, C, M, torch.tensor(importance))
    best = w.flatten(0, 1)[loss.argmin()]
    return best[:, None] * best


def _train(train_toys, data: _Data, importance, **how) -> tuple[Tensor, Tensor]:
    result = train_toys(lambda: data(), torch.tensor(importance), generator=_seeded(1), **how)
    expect(
        isinstance(result, tuple | list) and len(result) == 2,
        "Return two tensors, `W, b`.",
    )
    W, b = result
    expect(isinstance(W, Tensor) and isinstance(b, Tensor), "W and b should be tensors.")
    (models, _, n), dim = data.size, how["dim"]
    expect(
        tuple(W.shape) != (models, dim, n) or dim == n,
        "W has its last two axes exchanged: a *row* of W is a feature's direction.",
    )
    match(list(W.shape), [models, n, dim], what="The shape of W", mistakes={})
    match(list(b.shape), [models, n], what="The shape of b", mistakes={})
    expect(
        not (W.requires_grad or b.requires_grad),
        "W and b still carry gradients, and figures stumble over that: `.detach()` them.",
    )
    expect(
        bool(W.isfinite().all() and b.isfinite().all()), "W or b became nan or infinite on the way."
    )
    return W, b


@exercise("utils.features.superposition.train_toys")
def check_train_toys(train_toys) -> str:
    """Data with known best answers: room for all, weights that decide, rare pairs."""
    data = _Data(models=2, n=60, batch=8)
    W, b = _train(train_toys, data, [1.0] * 60, dim=5, steps=1)
    expect(bool(W.abs().max() > 0.03), "W starts at 0, where its gradient is 0 too.")
    expect(
        bool((W[0] - W[1]).abs().max() > 0.05),
        "All toys start from the same W: draw first weights for each.",
    )
    expect(
        0.005 < b.abs().max().item() < 0.02,
        "After one step of Adam at rate 0.01 from b = 0, each b should be 0.01 from 0, and they "
        f"reach {b.abs().max():.3f}. Is b trained too, does it start at 0, is the rate 0.01?",
    )
    expect(
        0.7 < W.std().item() * 60**0.5 < 1.3,
        "W should start Gaussian, divided by the root of the number of features: its spread after "
        f"one step is {W.std():.2f}, with 60 features.",
    )
    data = _Data(models=4, n=3, shift=-0.5, batch=32)
    W, b = _train(train_toys, data, [1.0, 0.6, 0.3], dim=3, steps=1200, relu=False)
    expect(
        data.calls >= 1200,
        f"In 1200 steps you called `draw` {data.calls} times: each step needs fresh data.",
    )
    expect(data.calls <= 1240, "`draw` is called more than once a step: the input is the target.")
    off = (W @ W.mT - torch.eye(3)).abs().max().item()
    expect(
        off < 0.05,
        "With as many dimensions as features, negative numbers and no ReLU, W W^T should become 1 "
        f"on its diagonal and 0 elsewhere, and is off by up to {off:.2f}. Is there a ReLU on the "
        "squeezed numbers? Is the error squared before it is averaged?",
    )
    data = _Data(models=2, n=3, shift=-2.0)
    W, b = _train(train_toys, data, [1.0] * 3, dim=3, steps=800, relu=False)
    x = data()
    expect(
        bool((x @ W @ W.mT + b[:, None] - x).square().mean() < 0.3),
        "Without a ReLU a toy can answer with negative numbers, and yours do not learn to. Is "
        "there a ReLU although `relu` is False?",
    )
    tables = [[1.0, 4.0], [4.0, 1.0], [1.0, 1.0]]
    how = {"dim": 1, "steps": 1500, "relu": False}
    W, b = _train(train_toys, _Data(models=3, n=2, shift=-1.0, shared=1.0), tables, **how)
    got = W @ W.mT

    def best(change) -> Tensor:
        return torch.stack([_best_line([change(i) for i in row], 1.0) for row in tables])

    def off_by(right: Tensor) -> float:
        return (got - right).abs().max().item()

    expect(
        off_by(best(lambda i: i)) < 0.06 or off_by(best(lambda i: 1.0)) > 0.06,
        "Toys keep what varies most, whatever matters more: weight each squared error by "
        "`importance`.",
    )
    expect(
        off_by(best(lambda i: i)) < 0.06 or off_by(best(lambda i: i * i)) > 0.06,
        "Importance counts too much: multiply the *squared* error by it, once.",
    )
    expect(
        off_by(best(lambda i: i)) < 0.06,
        "With one dimension for two features and no ReLU, the toys do not become what is best for "
        "the loss. Is that the squared error, times each toy's *own* importance, averaged over the "
        "batch (axis 1)?",
    )
    data = _Data(models=9, n=1, shift=-0.5, batch=256)
    _, b = _train(train_toys, data, [1.0], dim=1, steps=400)
    middle = b.abs().median().item()  # a few may be stuck
    expect(
        middle < 0.06,
        f"With a ReLU and room for all, b should become 0, and most reach {middle:.2f}. Is b added "
        "*before* the ReLU, and is there one if `relu` is True?",
    )
    data = _Data(models=16, n=2, density=0.05, batch=256)
    W, b = _train(train_toys, data, [1.0, 1.0], dim=1, steps=600)
    pairs = int((W[:, 0, 0] * W[:, 1, 0] < -0.8).sum())
    expect(
        pairs >= 2,
        "With a ReLU and rare features, a toy can keep two as opposites in one dimension, and of "
        f"16 of yours {pairs} do. Is the ReLU on the *output*, after b is added?",
    )
    first, other = (_Data(models=2, n=2) for _ in range(2))
    W, _ = _train(train_toys, first, [1.0, 1.0], dim=1, steps=120, relu=False)
    other.switch = first.calls - 3
    moved, _ = _train(train_toys, other, [1.0, 1.0], dim=1, steps=120, relu=False)
    expect(
        bool((W - moved).abs().max() < 0.003),
        "The last three steps still move W: the learning rate should fall to 0 along a cosine. Is "
        "the schedule as long as the training, and stepped at each step?",
    )
    again, same = (
        _train(train_toys, _Data(models=1, n=2), [1.0, 1.0], dim=1, steps=3)[0] for _ in range(2)
    )
    expect(
        torch.equal(again, same),
        "The same generator and data gave other weights: hand `generator` to all random functions.",
    )
    return "It trains many toys at once, each on its own data."


@exercise("utils.features.superposition.settled_at")
def check_settled_at(settled_at) -> str:
    """Planted numbers of features for each number of steps."""

    def planted(counts: dict[int, float]):
        """Four toys of five features that keep so many on average; unkept have a length of 0.4."""
        asked = []

        def train_for(steps: int) -> Tensor:
            asked.append(steps)
            total = round(4 * counts[steps])
            length = torch.full((20,), 0.4)
            length[torch.randperm(20, generator=_seeded(steps))[:total]] = 0.6
            return torch.stack([0.6 * length, -0.8 * length], -1).view(4, 5, 2)

        train_for.asked = asked
        return train_for

    cases = {
        (2.75, 2.75, 2.25, 2.0, 2.0): (0.1, 80),
        (2.0, 3.0, 2.25, 2.0, 2.25): (0.3, 40),
        (3.5, 2.5, 3.0, 3.5, 3.5): (0.1, 80),
        (2.0, 2.0, 2.0, 2.0, 3.0): (0.5, None),
        (1.0, 1.0, 1.0, 1.0, 1.0): (0.0, 10),
    }
    for counts, (tolerance, right) in cases.items():
        steps = [10, 20, 40, 80, 160]
        train_for = planted(dict(zip(steps, counts, strict=True)))
        result = settled_at(train_for, steps, tolerance=tolerance)
        expect(
            isinstance(result, tuple | list) and len(result) == 2,
            "Return two things: the list of numbers, and the first settled number of steps.",
        )
        got, when = result
        expect(
            train_for.asked != [] and set(train_for.asked) <= set(steps),
            "Call `train_for` with each of `steps`.",
        )
        expect(
            len(train_for.asked) <= len(steps),
            "A training is run twice: keep what `train_for` gave, since it costs time.",
        )
        right_counts = torch.tensor(counts)
        match(
            torch.as_tensor(got, dtype=torch.float32) if len(got) else torch.zeros(0),
            right_counts,
            what="The numbers of features kept",
            mistakes={
                "That is the sum over toys: take the mean.": 4 * right_counts,
                "That is a share of the features: count them, in each toy.": right_counts / 5,
                "Count directions longer than 0.5; some entries of W are below it in a direction "
                "that is longer.": torch.zeros(5),
                "All features count as kept: a direction must be *longer than 0.5*.": torch.full(
                    (5,), 5.0
                ),
            },
        )
        if when is not None and right is None:
            expect(
                when != steps[-1],
                "The last number agrees with itself, and with nothing later: return None there.",
            )
        expect(
            not (counts == (2.75, 2.75, 2.25, 2.0, 2.0) and when in (10, 20)),
            "Two numbers that agree are not enough: it moves again *later*. Compare each with the "
            "last.",
        )
        expect(
            not (counts == (2.0, 3.0, 2.25, 2.0, 2.25) and when == 10),
            "The first number happens to agree with the last, and those between do not: *each* "
            "later one must.",
        )
        expect(
            when == right,
            f"For the numbers {list(counts)} after {steps} steps and a tolerance of {tolerance}, "
            f"the answer should be {right}, and is {when}.",
        )
    return "A number that stands still once has not settled."


@exercise("utils.features.superposition.phase_border")
def check_phase_border(phase_border) -> str:
    """The border, by bisection on the two losses."""
    importance = torch.tensor([0.05, 0.1, 0.5, 0.9, 1.0, 2.0, 10.0])

    def border(dropped, variance, both) -> Tensor:
        found = []
        for i in importance.tolist():
            low, high = 1e-6, 8.0
            for _ in range(60):
                p = (low + high) / 2
                pair_wins = both(p, i) < dropped(i) * variance(p)
                low, high = (p, high) if pair_wins else (low, p)
            found.append(low)
        return torch.tensor(found)

    def smaller(i):
        return min(i, 1)

    def variance(p):
        return p / 3 - p**2 / 4

    def both(p, i):
        return p**2 * (1 + i) / 6

    right = border(smaller, variance, both)
    match(
        phase_border(importance),
        right,
        what="The border",
        mistakes={
            "Above an importance of 1 it is feature 0 that is dropped, whose importance is 1.": (
                border(lambda i: i, variance, both)
            ),
            "Feature 1 is always kept in your reckoning: below an importance of 1 it is the one "
            "that is dropped.": border(lambda i: 1, variance, both),
            "That is the mean square: a dropped feature is answered by its mean, which leaves the "
            "*variance*.": border(smaller, lambda p: p / 3, both),
            "The variance of a feature that is always active is 1/12; with the zeros it depends on "
            "p.": border(smaller, lambda p: p / 12, both),
            "The mean of a feature is p / 2, with the zeros, and its square p^2 / 4.": border(
                smaller, lambda p: p / 3 - 1 / 4 * p, both
            ),
            "Both are wrong when both are active: add 1/6 for one and I/6 for the other.": (
                border(smaller, variance, lambda p, i: p**2 / 6)
            ),
            "1/6 is the mean square of the error: no further square or half.": border(
                smaller, variance, lambda p, i: p**2 * (1 + i) / 12
            ),
            "Both are active with probability p squared, not p.": border(
                smaller, variance, lambda p, i: p * (1 + i) / 6
            ),
            "Two errors of 1/6 each have importances 1 and I: together (1 + I) / 6.": border(
                smaller, variance, lambda p, i: p**2 * (1 + i) / 3
            ),
            "That is the sparsity, 1 minus the density.": 1 - right,
        },
    )
    one = phase_border(torch.tensor([0.25]))
    match(one, torch.tensor([0.5 / 1.625]), what="The border for one setting", mistakes={})
    return "Two rare features seldom meet: there is a border, and you found it."


@exercise("utils.features.superposition.threshold_decoder")
def check_threshold_decoder(threshold_decoder) -> str:
    """Readings below, at and above the threshold, and above 1."""
    for threshold, size in ((0.25, (3, 40)), (0.6, (1, 30)), (0.0, (4, 20))):
        readings = 2.5 * torch.rand(size, generator=_seeded(size[1])) - 1
        readings[:, 0], readings[:, 1], readings[:, 2] = 1.0, threshold, 1.8
        above = torch.where(readings > threshold, 1.0, 0.0)
        shifted = readings - threshold
        right = above * shifted / (1 - threshold)
        match(
            threshold_decoder(readings, threshold=threshold),
            right,
            what=f"The estimates at a threshold of {threshold}",
            mistakes={
                "Readings above the threshold are left as they are, so that the estimates jump "
                "there: the line should start at 0.": above * readings,
                "A reading of 1 should be estimated as 1, and yours is estimated as less.": (
                    above * shifted
                ),
                "Your factor fits a threshold of 1/2 only: which one fits any threshold?": (
                    2 * above * shifted
                ),
                "Estimates stop at 1: above a reading of 1, the line goes on.": right.clamp(max=1),
                "Each estimate is 0 or 1: above the threshold it should be a straight line.": above,
                "Readings below the threshold give negative estimates: they should give 0.": (
                    shifted / (1 - threshold)
                ),
                "Large negative readings count too: do not take the absolute value.": (
                    (readings.abs() - threshold).relu() / (1 - threshold)
                ),
                "The threshold is not used: readings up to the threshold should give 0.": (
                    readings.relu()
                ),
            },
        )
    return "Noise below the threshold is gone, and a lone active feature still reads 1."


@exercise("utils.features.superposition.decode_sweep")
def check_decode_sweep(decode_sweep) -> str:
    """Orthogonal directions, whose readings show who is active, and one direction for all."""
    n, draws, ks = 9, 60, (1, 4, 7)

    def sweep(directions, decoders, ks=ks, seed=0):
        generator = _seeded(seed)
        return decode_sweep(directions, ks, decoders, draws=draws, generator=generator)

    seen: dict[str, list[Tensor]] = {"same": [], "nothing": [], "double": []}

    def spy(name: str, factor: float):
        def decode(readings: Tensor) -> Tensor:
            expect(isinstance(readings, Tensor), "A decoder takes one tensor of readings.")
            seen[name].append(readings.detach().clone())
            return factor * readings

        return decode

    found = sweep(
        torch.eye(n),
        {"same": spy("same", 1), "nothing": spy("nothing", 0), "double": spy("double", 2)},
    )
    expect(isinstance(found, dict), "Return a dictionary: decoder's name -> a list of errors.")
    expect(
        list(found) == ["same", "nothing", "double"]
        and all(hasattr(each, "__len__") and len(each) == 3 for each in found.values()),
        "There should be a list for each decoder, with an error for each of `ks`.",
    )
    if len(seen["same"]) == 3 * draws:
        expect(
            seen["same"][0].ndim == 2,
            "Decoders take readings of [draw, feature]: give them all draws at once.",
        )
    expect(len(seen["same"]) == 3, "Call each decoder once for each k, on all draws together.")
    for k, readings in zip(ks, seen["same"], strict=True):
        match(list(readings.shape), [draws, n], what="The shape of the readings", mistakes={})
        active = (readings - 1).abs() < 1e-4
        expect(
            bool((readings.abs() < 1e-4).logical_or(active).all()),
            "With orthogonal directions an active feature should read 1 and any other 0. Is a sum "
            "divided by k, or an active feature drawn twice?",
        )
        counts = active.sum(1)
        expect(
            bool((counts == k).all()),
            f"With k = {k}, each draw should have exactly {k} active features, and one has "
            f"{int(counts.min())}. Draw *without* replacement.",
        )
        expect(
            bool((active != active[0]).any()),
            "All draws have the same active features: draw anew for each row.",
        )
        expect(
            k == 1 or bool(active.any(0).all()),
            "Some features are never active: draw from all of them.",
        )
    for k, *rows in zip(ks, seen["same"], seen["nothing"], strict=True):
        expect(torch.equal(*rows), f"For k = {k} the decoders see different draws: share them.")
    wanted = {"same": [0.0] * 3, "nothing": [1.0] * 3, "double": [1.0] * 3}
    for name, right in wanted.items():
        match(
            torch.as_tensor([float(e) for e in found[name]]),
            torch.tensor(right),
            what=f"The errors of a decoder that answers {name}",
            mistakes={
                "Divide by k, once.": torch.tensor([k * r for r, k in zip(right, ks, strict=True)]),
                "That is the mean over features: sum over them, and divide by k.": torch.tensor(
                    [k * r / n for r, k in zip(right, ks, strict=True)]
                ),
                "That is the mean over features, and divided by k too: sum over them.": (
                    torch.tensor([r / n for r in right])
                ),
                "That is a sum over draws: take their mean.": torch.tensor(
                    [r * draws for r in right]
                ),
                "That is a root: leave the error squared.": torch.tensor(
                    [r / k**0.5 for r, k in zip(right, ks, strict=True)]
                ),
                "Divided by k twice.": torch.tensor(
                    [r / k for r, k in zip(right, ks, strict=True)]
                ),
            },
        )
    own = {"same": lambda readings: readings}
    lengths = sweep(2 * torch.eye(n), own)["same"]
    match(
        torch.as_tensor([float(e) for e in lengths]),
        torch.full((3,), 9.0),
        what="The errors with directions of length 2",
        mistakes={
            "Take the directions as they are, both for the sum and for the readings.": torch.zeros(
                3
            ),
            "The directions are brought to length 1 in one of two places: take them as they are.": (
                torch.ones(3)
            ),
        },
    )
    one = sweep(torch.ones(n, 1), own)["same"]
    match(
        torch.as_tensor([float(e) for e in one]),
        torch.tensor([((k - 1) ** 2 * k + (n - k) * k**2) / k for k in ks]),
        what="The errors where all features have one direction",
        mistakes={
            "Only the active features' errors are counted: sum over *all* features.": torch.tensor(
                [(k - 1.0) ** 2 for k in ks]
            ),
        },
    )
    return "The same draws for every decoder, and every feature counts."


GROUPS = [(5,), (2, 7), (0, 3, 6)]


@investigation("groups", course=GROUPS)
def check_groups(groups) -> str:
    """Who shares dimensions with whom in `UnknownToy`."""
    expect(
        isinstance(groups, list | tuple | set)
        and all(isinstance(group, list | tuple | set | frozenset) for group in groups),
        "Give a list of groups, such as [(0, 1), (2,)].",
    )
    got = [frozenset(int(feature) for feature in group) for group in groups]
    flat = [feature for group in got for feature in group]
    right = {frozenset(group) for group in GROUPS}
    expect(len(flat) == len(set(flat)), "A feature stands in two groups.")
    expect(set(flat) <= set(range(8)), "The features have numbers from 0 to 7.")
    expect(
        not set(flat) & {1, 4},
        "A feature that the toy dropped stands in a group. Does its answer ever depend on the row?",
    )
    expect(
        {0, 2, 3, 5, 6, 7} <= set(flat),
        "A kept feature is missing. Which answers are the same number whatever you put in? All "
        "others belong to a group, if only alone.",
    )
    expect(
        not any(len(group) > 3 for group in got),
        "Features at right angles are in one of your groups: do they answer one another at all?",
    )
    expect(
        any(len(group) == 2 for group in got),
        "There is a pair among them. Opposite directions answer with a negative number, and the "
        "ReLU hides it: what could you put in to turn the sign round?",
    )
    expect(
        set(got) == right,
        "The sizes or members of the groups are not right yet. In a triangle each answers the "
        "*negative* of either other with half its size.",
    )
    return "A pair, a triangle and a loner: six features in four dimensions."


def _shapes(density: float, toy: int) -> Tensor:
    """Directions of five features in a plane, for the check's sweep."""
    turns = torch.arange(5) * 2 * math.pi / 5
    pentagon = torch.stack([turns.cos(), turns.sin()], -1)
    pairs = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1], [0, 0]])
    uneven = torch.tensor([[2.0, 0], [1, 1], [0, 0.5], [-1, 0.3], [0, 0]])
    kind = {0.8: pairs, 0.4: uneven, 0.1: pentagon}[round(density, 2)]
    return kind * (1 + 0.5 * toy)


def _dimensionality(W: Tensor, *, above=2, below=2, unit=True, own=True) -> Tensor:
    """Feature by feature; 0 for one that is dropped."""
    D = torch.zeros(len(W))
    for i, w in enumerate(W):
        if w.norm() > 0:
            u = w / w.norm() if unit else w
            others = [v for j, v in enumerate(W) if own or j != i]
            total = sum((u @ v).abs() ** below for v in others)
            D[i] = w.norm() ** above / total if total > 0 else 0
    return D


@exercise("utils.features.superposition.geometry_sweep")
def check_geometry_sweep(geometry_sweep) -> str:
    """Planted shapes at three densities, two toys each."""
    densities = torch.tensor([0.8, 0.4, 0.1])
    for toys in (2, 3):
        seen: dict[float, int] = {}

        def train(density: Tensor, seen=seen) -> Tensor:
            W = []
            for p in density.tolist():
                W.append(_shapes(p, seen.get(p, 0)))
                seen[p] = seen.get(p, 0) + 1
            return torch.stack(W)

        result = geometry_sweep(train, densities, toys=toys)
        expect(
            isinstance(result, tuple | list) and len(result) == 2,
            "Return two tensors: D, and the dimensions per feature.",
        )
        expect(
            sorted(seen.values()) == [toys] * 3,
            f"You trained {sum(seen.values())} toys: `toys` at each density are {3 * toys}.",
        )
        planted = [[_shapes(p, toy) for toy in range(toys)] for p in (0.8, 0.4, 0.1)]

        def of_all(planted=planted, **how) -> Tensor:
            rows = [[_dimensionality(W, **how) for W in row] for row in planted]
            return torch.stack([torch.stack(row) for row in rows])

        D = of_all()
        norms = torch.stack([torch.stack([W.square().sum() for W in row]) for row in planted])
        expect(
            not (isinstance(result[0], Tensor) and bool(result[0].isnan().any())),
            "A dropped feature has length 0, and D became nan there: it should be 0.",
        )
        mistakes = {
            "The rows are mixed up: toys of one density should stand in one row. "
            "`repeat_interleave` repeats each entry, `repeat` the whole.": D.transpose(
                0, 1
            ).reshape(3, toys, 5),
            "The length above the line is not squared.": of_all(above=1),
            "The dot products are not squared.": of_all(below=1),
            "One of the two directions in a dot product should have length 1.": of_all(unit=False),
            "The feature itself is left out of the sum: j runs over i too.": of_all(own=False),
            "One D for each *feature*, please: yours are averaged over them.": D.mean(-1),
            "The density and toy axes are one: `.view(densities, toys, features)`.": D.flatten(
                0, 1
            ),
        }
        match(result[0], D, what="D", mistakes=mistakes)
        match(
            result[1],
            2 / norms,
            what="The dimensions per feature",
            mistakes={
                "Upside down: dimensions over the sum of squared lengths.": norms / 2,
                "Lengths should be squared before they are added.": 2 / norms.sqrt(),
                "The number of dimensions is missing.": 1 / norms,
                "dim is the last axis of W, not the number of features.": 5 / norms,
                "Two axes, please, [density, toy].": (2 / norms).flatten(),
            },
        )
    return "How much of a dimension each feature has, at each density."
