"""Checks of lesson 4.1, superposition."""

import math

import torch
from torch import Tensor

from utils.checks.engine import exercise, expect, investigation, match


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class _Data:
    """A `draw` that counts its calls; after `switch` calls its data are times `after`.

    Each feature is uniform from 0 to 1, plus `shift`, plus a number that a row's features share.

    Args:
        rows: times the data, [model, batch, 1].
    """

    def __init__(
        self, *, models, n, shift=0.0, shared=0.0, density=1.0, batch=64, rows=1, after=-3
    ):
        self.size, self.shift, self.shared, self.density = (
            (models, batch, n),
            shift,
            shared,
            density,
        )
        self.calls, self.switch, self.generator = 0, 10**9, _seeded(7)
        self.rows, self.after = rows, after

    def __call__(self) -> Tensor:
        self.calls += 1
        x = torch.rand(self.size, generator=self.generator)
        x = x * (torch.rand(self.size, generator=self.generator) < self.density) + self.shift
        common = torch.rand(self.size, generator=self.generator)[..., :1]
        x = (x + self.shared * common) * self.rows
        return x * (self.after if self.calls > self.switch else 1)


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
    if not b.any():
        _, second = _train(train_toys, _Data(models=2, n=60, batch=8), [1.0] * 60, dim=5, steps=2)
        reached = second.abs().max().item()
        expect(
            not 0.003 < reached < 0.007,
            "The learning rate has fallen before the first update: the schedule steps *after* the "
            "optimiser.",
        )
        expect(
            not 0.007 <= reached < 0.012,
            "There is one update too few: the loop should run `steps` times.",
        )
    away = b.abs()[b != 0]
    reach = b.abs().max().item()
    expect(
        not (reach > 0.005 and ((b != 0).any(1).logical_not().any() or torch.equal(b[0], b[1]))),
        "The toys share one b: each has its own, [model, feature], as `b[:, None]` gives them.",
    )
    expect(
        0.005 < reach < 0.02,
        "After one step of Adam at rate 0.01 from b = 0, each b should be 0.01 from 0, and they "
        f"reach {reach:.3f}. Is b trained too, does it start at 0, is the rate 0.01?",
    )
    expect(
        bool((away - away.median()).abs().max() < 1e-3),
        "Adam's first step has the same size for every number, whatever its gradient. Yours are "
        f"from {away.min():.4f} to {away.max():.4f}: is the optimiser Adam?",
    )
    expect(
        0.7 < W.std().item() * 60**0.5 < 1.3,
        "W should start Gaussian, divided by the root of the number of features: its spread after "
        f"one step is {W.std():.2f}, with 60 features.",
    )
    steady = _Data(models=4, n=3, batch=64, after=0)
    steady.switch = 2  # nothing moves W any more but Adam's momentum
    W, _ = _train(train_toys, steady, [1.0] * 3, dim=2, steps=40, relu=False)
    expect(
        steady.calls >= 40,
        f"In 40 steps you called `draw` {steady.calls} times: each step needs fresh data.",
    )
    start, _ = _train(
        train_toys, _Data(models=4, n=3, batch=64), [1.0] * 3, dim=2, steps=1, relu=False
    )
    drift = (W - start).abs().median().item()
    expect(
        drift < 0.11,
        "W moves on and on in the direction of old gradients, where the data give none. Are the "
        "gradients set to zero at each step?",
    )
    data = _Data(models=4, n=3, shift=-0.5, batch=32)
    W, b = _train(train_toys, data, [1.0, 0.6, 0.3], dim=3, steps=1200, relu=False)
    expect(data.calls <= 1240, "`draw` is called more than once a step: the input is the target.")
    expect(
        data.calls <= 1201,
        f"In 1200 steps you called `draw` {data.calls} times: once a step, and once for the "
        "shapes. Does the loop run `steps` times?",
    )
    skewed = _Data(models=4, n=4, density=0.3, batch=256)
    fitted, shift = _train(train_toys, skewed, [1.0] * 4, dim=1, steps=600, relu=False)
    x = torch.cat([skewed() for _ in range(8)], 1)
    errors = x @ fitted @ fitted.mT + shift[:, None] - x
    left, middle = errors.mean(1).abs().max().item(), errors.median(1).values.abs().max().item()
    expect(
        left < 0.04 or middle > 0.03,
        "Without a ReLU, the errors of a trained toy have a mean of 0 for each feature, and yours "
        f"reach {left:.2f}. Is the error *squared*, not its absolute value?",
    )
    off = (W @ W.mT - torch.eye(3)).abs().max().item()
    expect(
        off < 0.05,
        "With as many dimensions as features, negative numbers and no ReLU, W W^T should become 1 "
        f"on its diagonal and 0 elsewhere, and is off by up to {off:.2f}. Is there a ReLU on the "
        "squeezed numbers?",
    )
    data = _Data(models=2, n=3, shift=-2.0)
    W, b = _train(train_toys, data, [1.0] * 3, dim=3, steps=800, relu=False)
    x = data()
    expect(
        bool((x @ W @ W.mT + b[:, None] - x).square().mean() < 0.3),
        "Without a ReLU a toy can answer with negative numbers, and yours do not learn to. Is "
        "there a ReLU although `relu` is False?",
    )
    halves = torch.ones(4, 64, 1)
    halves[0], halves[1, 32:], halves[2, :32] = 0, 0, 0
    data = _Data(models=4, n=3, shift=-0.5, rows=halves)
    W, _ = _train(train_toys, data, [1.0] * 3, dim=3, steps=1000, relu=False)
    untrained, first_half, last_half, whole = (
        (W @ W.mT - torch.eye(3)).abs().amax((1, 2)) > 0.1
    ).tolist()
    expect(
        untrained and not whole,
        "A toy learns from another toy's data: toy m should see `x[m]` only, and all toys see "
        "their own.",
    )
    expect(
        not (first_half or last_half),
        "Some rows of the batch have no effect on what a toy learns: use all of them.",
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
    below = _Data(models=9, n=1, shift=-2.0)
    (first_W, first_b), (W, b) = (
        _train(train_toys, below, [1.0], dim=1, steps=steps) for steps in (1, 200)
    )
    expect(
        not (first_b.any() or b.any()),
        "Where all answers are negative before the ReLU, they should be 0 after it, and without a "
        "gradient; your b is moved there. Is it a plain ReLU?",
    )
    expect(
        torch.allclose(W, first_W, atol=1e-5),
        "W moves where the loss has no gradient: is there a weight decay, or a penalty?",
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
        (2.0, 2.0, 3.0, 2.0, 2.0): (0.1, 80),
        (2.75, 2.5, 2.25, 2.0, 2.0): (0.25, 40),
        (2.25, 2.5, 2.25, 2.0, 2.0): (0.25, 40),
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
            not (counts == (2.0, 2.0, 3.0, 2.0, 2.0) and when == 10),
            "A number and the next agree with the last, and one after them does not: look at "
            "*every* later one.",
        )
        expect(
            not (tolerance == 0.25 and when in (10, 20)),
            "Every number must be within the tolerance of the *last* one. Being near its "
            "neighbours, or near the number from which you start, is not enough.",
        )
        expect(
            when == right,
            f"For the numbers {list(counts)} after {steps} steps and a tolerance of {tolerance}, "
            f"the answer should be {right}, and is {when}.",
        )
    return "A number that stands still once has not settled."


@exercise("utils.features.superposition.decode_sweep")
def check_decode_sweep(decode_sweep) -> str:
    """Orthogonal directions, whose readings show who is active, and one direction for all."""
    n, draws, half, ks = 9, 60, 30, (1, 4, 7)

    def sweep(directions, decoders, ks=ks, seed=0):
        generator = _seeded(seed)
        return decode_sweep(directions, ks, decoders, draws=draws, generator=generator)

    seen: dict[str, list[Tensor]] = {}

    def spy(name: str, decode):
        def spied(readings: Tensor) -> Tensor:
            expect(isinstance(readings, Tensor), "A decoder takes one tensor of readings.")
            expect(
                readings.ndim == 2 and readings.shape[1] == n,
                "Decoders take readings of [draw, feature], and get "
                f"{list(readings.shape)} for {n} features.",
            )
            seen.setdefault(name, []).append(readings.detach().clone())
            return decode(readings)

        return spied

    uneven = torch.linspace(0.2, 3.0, n)
    plans = {
        "same": lambda readings: readings,
        "double": lambda readings: 2 * readings,
        "uneven": lambda readings: readings * uneven,
        "ones": torch.ones_like,
    }
    found = sweep(torch.eye(n), {name: spy(name, decode) for name, decode in plans.items()})
    expect(isinstance(found, dict), "Return a dictionary: decoder's name -> a list of errors.")
    expect(
        list(found) == list(plans)
        and all(hasattr(each, "__len__") and len(each) == 3 for each in found.values()),
        "There should be a list for each decoder, with an error for each of `ks`.",
    )
    rows = {name: torch.cat(each) for name, each in seen.items()}
    for name, each in rows.items():
        expect(
            len(each) == 3 * draws,
            f"Each decoder should get {draws} draws for each of three k, {3 * draws} in all, and "
            f"`{name}` got {len(each)}.",
        )
        expect(torch.equal(each, rows["same"]), "The decoders see different draws: share them.")
    readings = rows["same"].split(draws)
    for k, each in zip(ks, readings, strict=True):
        active = (each - 1).abs() < 1e-4
        expect(
            bool((each.abs() < 1e-4).logical_or(active).all()),
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

    def errors(decode, *, fit=slice(half), test=slice(half, None), per_draw=False, end=None):
        """From the readings that were seen: with orthogonal directions they are the answer."""
        each_k = []
        for k, x in zip(ks, readings, strict=True):
            estimates = decode(x)
            gain = torch.ones(())
            if per_draw:
                gain = (estimates * x).sum(1, True) / estimates.square().sum(1, True)
            elif fit is not None:
                gain = (estimates * x)[fit].sum() / estimates[fit].square().sum()
            squared = (gain * estimates - x)[test].square().sum(-1)
            each_k.append(end(squared, k) if end else squared.mean() / k)
        return torch.stack(each_k)

    for name, decode in plans.items():
        match(
            torch.as_tensor([float(e) for e in found[name]]),
            errors(decode),
            what=f"The errors of a decoder that answers {name}",
            mistakes={
                "The estimates are taken as they come: multiply them by their best gain.": errors(
                    decode, fit=None
                ),
                "The gain is fitted on the draws on which the error is measured: fit it on the "
                "first half, and measure on the second.": errors(decode, fit=slice(half, None)),
                "The gain is fitted on all draws, also on those on which the error is measured.": (
                    errors(decode, fit=slice(None))
                ),
                "The gain is fitted and the error measured on the first half.": errors(
                    decode, test=slice(half)
                ),
                "Gain and error are both from all draws: halve them.": errors(
                    decode, fit=slice(None), test=slice(None)
                ),
                "The error is measured on all draws, also on those that fitted the gain.": errors(
                    decode, test=slice(None)
                ),
                "The halves are exchanged: the first fits the gain.": errors(
                    decode, fit=slice(half, None), test=slice(half)
                ),
                "Each draw has its own gain: there is one number for a decoder and a k.": errors(
                    decode, per_draw=True
                ),
                "Divide by k, once.": errors(decode, end=lambda sq, k: sq.mean()),
                "That is the mean over features: sum over them, and divide by k.": errors(
                    decode, end=lambda sq, k: sq.mean() / n
                ),
                "That is the mean over features, and divided by k too: sum over them.": errors(
                    decode, end=lambda sq, k: sq.mean() / n / k
                ),
                "That is a sum over draws: take their mean.": errors(
                    decode, end=lambda sq, k: sq.sum() / k
                ),
                "That is the median over draws: take their mean.": errors(
                    decode, end=lambda sq, k: sq.median() / k
                ),
                "That is a root: leave the error squared.": errors(
                    decode, end=lambda sq, k: sq.sqrt().mean() / k**0.5
                ),
                "Divided by k twice.": errors(decode, end=lambda sq, k: sq.mean() / k**2),
                "Only the active features' errors are counted: sum over *all* features.": (
                    torch.stack(
                        [
                            (((g * decode(x) - x) * x)[half:].square().sum(-1).mean() / k)
                            for k, x in zip(ks, readings, strict=True)
                            for g in [
                                (decode(x) * x)[:half].sum() / decode(x)[:half].square().sum()
                            ]
                        ]
                    )
                ),
            },
        )
    lengths = torch.linspace(0.5, 2.0, n)
    got_lengths = []

    def keeps(readings: Tensor) -> Tensor:
        got_lengths.append(readings.detach().clone())
        return readings

    sweep(torch.diag(lengths), {"same": keeps}, ks=(n,))
    match(
        torch.cat(got_lengths)[0],
        lengths.square(),
        what="The readings with directions of other lengths",
        mistakes={
            "Take the directions as they are, both for the sum and for the readings.": (
                torch.ones(n)
            ),
            "The directions are brought to length 1 in one of two places: take them as they are.": (
                lengths
            ),
        },
    )
    got_sums = []

    def counts_sums(readings: Tensor) -> Tensor:
        got_sums.append(readings.detach().clone())
        return readings

    sweep(torch.ones(n, 1), {"same": counts_sums}, ks=(4,))
    match(
        torch.cat(got_sums)[0],
        torch.full((n,), 4.0),
        what="The readings where all features have one direction",
        mistakes={},
    )
    return "Fair to every decoder: the same draws, and each its own best gain."


@exercise("utils.features.superposition.phase_border", in_double=True)
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


GROUPS = [(5,), (2, 7), (0, 3, 6)]


@investigation("groups", course=GROUPS)
def check_groups(groups) -> str:
    """Who shares dimensions with whom in `UnknownToy`."""
    expect(
        isinstance(groups, list | tuple | set)
        and all(isinstance(group, list | tuple | set | frozenset) for group in groups),
        "Give a list of groups, such as [(0, 1), (2,)].",
    )
    expect(
        all(len(group) == len(set(group)) for group in groups),
        "A feature stands twice in one group.",
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
    uneven = torch.tensor([[2.0, 0], [1, 1], [0, 0.02], [-1, 0.3], [0, 0]])
    kind = {0.8: pairs, 0.4: uneven, 0.1: pentagon}[round(density, 2)]
    return kind * (1 + 0.5 * toy)


def _dimensionality(W: Tensor, *, above=2, below=2, unit=True, own=True, shortest=0.0) -> Tensor:
    """Feature by feature; 0 for one that is dropped."""
    D = torch.zeros(len(W))
    for i, w in enumerate(W):
        if w.norm() > 0:
            u = w / w.norm().clamp(min=shortest) if unit else w
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
        calls = []

        def train(density: Tensor, seen=seen, calls=calls) -> Tensor:
            W = []
            calls.append(len(density))
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
        expect(
            len(calls) == 1,
            f"`train` is called {len(calls)} times: one call can train the toys of all densities "
            "together, which is much faster.",
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
            "A short direction gets another D than it has: guard the division by a far smaller "
            "number.": of_all(shortest=0.1),
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
