"""Checks of lesson 4.1, superposition."""

import math

import torch

from utils.checks.engine import exercise, expect, match, trains


def _random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@exercise("utils.features.superposition.sparse_features")
def check_sparse_features(sparse_features) -> str:
    """Statistics of a large draw, since nobody can say which numbers are drawn."""
    density = torch.tensor([0.1, 0.7, 1.0])
    x = sparse_features(density, batch_size=4000, n=6, generator=_seeded(0))
    expect(isinstance(x, torch.Tensor), "The features should be one tensor.")
    shape = (3, 4000, 6)
    if tuple(x.shape) == shape[::-1] or tuple(x.shape) in {(4000, 3, 6), (3, 6, 4000)}:
        expect(False, "The axes are in another order: it should be [model, batch, feature].")
    match(list(x.shape), list(shape), what="The shape", mistakes={})
    expect(x.dtype == density.dtype, f"The features should be float32, and are {x.dtype}.")
    x = x.detach().cpu().double()
    state = _seeded(0)
    again = sparse_features(density, batch_size=4000, n=6, generator=state)
    expect(
        torch.equal(again.cpu().double(), x),
        "The same seed gave other numbers: hand `generator` to *every* random function.",
    )
    more = sparse_features(density, batch_size=4000, n=6, generator=state)
    expect(
        not torch.equal(more.cpu().double(), x),
        "Two draws from one generator gave the same numbers: use the generator as it is, and do "
        "not set its seed in the function.",
    )
    expect(bool(((x >= 0) & (x <= 1)).all()), "Some features lie outside 0 to 1: draw them evenly.")
    active = (x > 0).double().mean((1, 2))
    expect(
        bool((active > 0.001).all()) or bool(active[-1] > 0.9),
        "The densest toy has only zeros: density and sparsity are exchanged. Density is the "
        "probability of *not* being 0.",
    )
    rows = (x[1] > 0).double().mean(1)
    expect(
        rows.std().item() > 0.1 and bool((x[1, 0] != x[1, 1]).any()),
        "All rows are alike: draw who is active for each row anew.",
    )
    if (active - density).abs().max() > 0.02:
        expect(
            bool((active - density**2).abs().max() > 0.02),
            "Too many zeros: a feature passes with probability density squared. Is it masked "
            "twice?",
        )
        expect(
            bool((active - active[0]).abs().max() > 0.02),
            "Each toy has its own density: line it up with the *first* axis.",
        )
        expect(
            False,
            "The share of features that are not 0 should be each toy's density, and is "
            f"{active[0]:.2f} for a toy of density {density[0]:.2f}.",
        )
    both = ((x[1, :, 0] > 0) & (x[1, :, 1] > 0)).double().mean().item()
    expect(
        abs(both - 0.49) < 0.04,
        "The features of a row are not independent: draw who is active for each feature, not for "
        "each row.",
    )
    for axis, each in ((0, "row"), (1, "feature of a row")):  # x[2] has no zeros
        expect(
            bool((x[2].diff(dim=axis) != 0).double().mean() > 0.9)
            or bool((x[2] == x[2, 0, 0]).all()),
            f"The active features share their values: draw a value for each {each} anew.",
        )
    expect(
        abs(x[2].mean().item() - 0.5) < 0.02,
        "With density 1 the mean of a feature should be 1/2: values are even between 0 and 1.",
    )
    of_two_toys = ((x[0] > 0) & (x[1] > 0)).double().mean().item()
    alike = (x[1] == x[2])[x[1] > 0].double().mean().item()
    expect(
        abs(of_two_toys - 0.07) < 0.012 and alike < 0.1,
        "The toys share one draw: each toy needs random numbers of its own, for the values and "
        "for who is active. Is the first axis of every `torch.rand` as long as `density`?",
    )
    at = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9]).double()
    expect(
        bool(((x[1][x[1] > 0].quantile(at) - at).abs() < 0.02).all()),
        "The active features are not even between 0 and 1. Is the same random number used for who "
        "is active and for the value, or is the value cut off, scaled or averaged?",
    )
    one = sparse_features(density[1:2], batch_size=1, n=2, generator=_seeded(0))
    match(list(one.shape), [1, 1, 2], what="With one toy and one row the shape", mistakes={})
    return "Sparse, independent, and the same again for the same seed."


@exercise("utils.features.superposition.toy_output")
def check_toy_output(toy_output) -> str:
    """Two toys of 4 features in 3 dimensions; every answer is a sum made one by one."""
    x, W, b = _random(2, 5, 4), _random(2, 4, 3, seed=1), _random(2, 4, seed=2)

    def out(bias: torch.Tensor, relu: bool = True, W_read: torch.Tensor = W) -> torch.Tensor:
        rows = torch.zeros(2, 5, 4)
        for m in range(2):
            for r in range(5):
                squeezed = sum(x[m, r, i] * W[m, i] for i in range(4))
                for i in range(4):
                    rows[m, r, i] = (squeezed * W_read[m, i]).sum() + bias[m, i]
        return rows.clamp(min=0) if relu else rows

    none = torch.zeros_like(b)
    mistakes = {
        "The ReLU is missing: negative numbers should become 0.": out(b, relu=False),
        "The output was cut off at 1: a ReLU has no upper end.": out(b).clamp(max=1),
        "The output's size was taken: a ReLU makes negative numbers 0.": out(b, relu=False).abs(),
        "The bias is missing.": out(none),
        "The bias is missing, and so is the ReLU.": out(none, relu=False),
        "The bias is added after the ReLU: add it before.": out(none) + b[:, None],
        "The bias is subtracted: add it.": out(-b),
        "The first toy's W is used for all toys.": out(b, W_read=W[:1].expand(2, 4, 3)),
        "There is a ReLU on the squeezed numbers: only the output has one.": (
            torch.einsum("mrd,mid->mri", torch.einsum("mri,mid->mrd", x, W).relu(), W) + b[:, None]
        ).relu(),
        "There is a ReLU on the squeezed numbers, and none on the output: it is the output that "
        "has one.": torch.einsum("mrd,mid->mri", torch.einsum("mri,mid->mrd", x, W).relu(), W)
        + b[:, None],
        "That is the squeezed row: the way back to the features is missing.": torch.einsum(
            "mri,mid->mrd", x, W
        ),
        "`relu=True` should apply the ReLU, and False leave it out: they are exchanged.": out(
            b, relu=False
        ),
    }
    right, linear = out(b), out(b, relu=False)
    trained = W.clone().requires_grad_(), b.clone().requires_grad_()
    got = toy_output(x, *trained)
    match(got, right, what="The reconstruction", mistakes=mistakes)
    trains(got, *trained)
    match(
        toy_output(x, *trained, relu=False),
        linear,
        what="The reconstruction without ReLU",
        mistakes={"With `relu=False` there should be no ReLU: you do not look at `relu`.": right},
    )
    one = toy_output(x[:1, :1], W[:1], b[:1])
    match(one, right[:1, :1], what="The reconstruction of one row by one toy", mistakes={})
    return "Down to a few numbers, and back."


@exercise("utils.features.superposition.weighted_loss")
def check_weighted_loss(weighted_loss) -> str:
    """Three toys, 5 rows, 4 features; the sums are made one by one."""
    out, x = _random(3, 5, 4), _random(3, 5, 4, seed=1)
    importance = torch.tensor([[1.0, 0.5, 2, 0.1], [0.3, 0.3, 4, 1], [2, 1, 0.7, 0.2]])
    square = (out - x) ** 2

    def loss(table: torch.Tensor, weight: torch.Tensor = importance) -> torch.Tensor:
        totals = [
            sum(table[m, r, i] * weight[m, i] for r in range(5) for i in range(4)) / 5
            for m in range(3)
        ]
        return torch.stack(totals)

    right = loss(square)
    trained = out.clone().requires_grad_()
    got = weighted_loss(trained, x, importance)
    match(
        got,
        right,
        what="The loss",
        mistakes={
            "Importance is left out.": loss(square, torch.ones(3, 4)),
            "The first toy's importance is used for all toys.": loss(
                square, importance[:1].expand(3, 4)
            ),
            "You divided by the summed importance: a plain sum over features will do.": right
            / importance.sum(1),
            "That is the root of the squared error: leave it squared.": loss(square).sqrt(),
            "Importance is squared: multiply the *squared* error by it.": loss(
                square, importance**2
            ),
            "That is the absolute error: square it.": loss((out - x).abs()),
            "The error is not squared, so that errors cancel.": loss(out - x),
            "Averaged over features: sum over them.": right / 4,
            "Summed over the batch: average over it.": right * 5,
            "One loss for each toy, please, [model]; the training adds them up.": right.sum(),
            "One loss for each toy, please, [model]: that is a mean over toys too.": right.mean(),
            "One loss for each toy, please: you averaged over the batch and not yet over "
            "features.": square.mean(1) * importance,
            "You averaged over the features of each row: the batch is axis 1, and what is left "
            "should be [model].": (square * importance[:, None]).sum(-1),
        },
    )
    trains(got, trained)
    one = weighted_loss(out[:1, :1], x[:1, :1], importance[:1])
    alone = (square[0, 0] * importance[0]).sum()[None]
    match(one, alone, what="The loss of one toy on one row", mistakes={})
    return "One loss for each toy."


@exercise("utils.features.superposition.dimensionality")
def check_dimensionality(dimensionality) -> str:
    """Opposites of unequal length, a feature beside them, one left out; and random directions."""
    mixed = _random(4, 3, seed=3)
    W = torch.stack([torch.tensor([[2.0, 0, 0], [-1.5, 0, 0], [0.1, 0.5, 0], [0, 0, 0]]), mixed])

    def planted(top, below) -> torch.Tensor:
        rows = torch.zeros(2, 4)
        for m in range(2):
            for i in range(4):
                length = math.sqrt(sum(v * v for v in W[m, i].tolist()))
                if length > 0:
                    rows[m, i] = top(length) / below(m, i, length)
        return rows

    def sum_over(m: int, i: int, value, skip: bool = False) -> float:
        return sum(
            value((W[m, i] * W[m, j]).sum().item(), j) for j in range(4) if j != i or not skip
        )

    def norm(m: int, j: int) -> float:
        return max(W[m, j].norm().item(), 1e-9)

    def usual(m: int, i: int, length: float) -> float:
        return sum_over(m, i, lambda dot, j: (dot / length) ** 2)

    right = planted(lambda length: length**2, usual)
    got = dimensionality(W)
    if isinstance(got, torch.Tensor) and got.shape == right.shape:
        expect(
            got.dtype == W.dtype, f"The dimensionality should be {W.dtype} as `W`, not {got.dtype}."
        )
        expect(
            not bool(got[0, 3].isnan()),
            "A feature with direction 0 gives nan, from 0 / 0: `.clamp(min=...)` what you divide "
            "by, so that it gets 0.",
        )
    match(
        got,
        right,
        what="The dimensionality",
        mistakes={
            "The length above the line is not squared.": planted(lambda length: length, usual),
            "The dot products are not squared.": planted(
                lambda length: length**2,
                lambda m, i, length: sum_over(m, i, lambda dot, j: dot / length),
            ),
            "Below the line stands `u_i`, the direction of W_i with length 1, and above it the "
            "squared length of W_i: one of the two is missing.": planted(lambda length: 1.0, usual),
            "Both directions were made unit: only W_i is, and W_j keeps its length.": planted(
                lambda length: length**2,
                lambda m, i, length: sum_over(
                    m, i, lambda dot, j: (dot / length / norm(m, j)) ** 2
                ),
            ),
            "You divided by the length of W_j: it is W_i that is made unit.": planted(
                lambda length: length**2,
                lambda m, i, length: sum_over(m, i, lambda dot, j: (dot / norm(m, j)) ** 2),
            ),
            "W was made unit along the wrong axis: a direction is the *last* axis, and "
            "`normalize` takes axis 1 unless you say `dim=-1`.": (
                W.square().sum(-1)
                / ((W / W.norm(dim=1, keepdim=True).clamp(min=1e-12)) @ W.mT)
                .square()
                .sum(-1)
                .clamp(min=1e-12)
            ),
            "The feature itself is left out below the line: `j` runs over all features.": planted(
                lambda length: length**2,
                lambda m, i, length: max(
                    sum_over(m, i, lambda dot, j: (dot / length) ** 2, skip=True), 1e-12
                ),
            ),
        },
    )
    one = dimensionality(torch.tensor([[[0.0, 3.0]]]))
    match(one, torch.ones(1, 1), what="The dimensionality of a feature alone", mistakes={})
    return "An own dimension is 1, a digon 1/2 each."


@exercise("utils.features.superposition.two_in_one_losses")
def check_two_in_one_losses(two_in_one_losses) -> str:
    """Against sums over a fine grid of values, made without the formulas."""
    density = torch.tensor([1.0, 0.5, 0.2, 0.05]).double()
    importance = torch.tensor([0.5, 1.0, 3.0, 0.1]).double()
    v = (torch.arange(400).double() + 0.5) / 400
    second, least = (v**2).mean(), torch.minimum(v[:, None], v).square().mean()
    variance = density * second - (density * v.mean()) ** 2

    def table(drop_1, drop_0, both) -> torch.Tensor:
        return torch.stack([drop_1, drop_0, both], -1)

    both = density**2 * least
    right = table(importance * variance, variance, both * (1 + importance))
    once = density * least * (1 + importance)
    match(
        two_in_one_losses(density, importance),
        right,
        what="The table of losses",
        mistakes={
            "The first two are exchanged: who keeps only feature 0 pays for feature 1.": right[
                :, [1, 0, 2]
            ],
            "The opposites cost nothing for one of the features: both answers are off when both "
            "are active.": table(importance * variance, variance, both),
            "Opposites: both must be active for an error. What is the probability of that?": table(
                importance * variance, variance, once
            ),
            "The importance of a dropped feature 1 is missing.": table(
                variance, variance, both * (1 + importance)
            ),
            "A dropped feature is answered by its mean, so its error is the variance; you took "
            "the mean square, as if the answer were 0.": table(
                importance * density * second, density * second, both * (1 + importance)
            ),
            "The variance is that of an active feature: a feature is 0 with probability 1 - "
            "density.": table(importance / 12, density * 0 + 1 / 12, both * (1 + importance)),
            "The variance is `p` times that of an active feature: but being active is a matter of "
            "luck too. Take the mean of the square, less the square of the mean, with the zeros "
            "counted in both.": table(
                importance * density / 12, density / 12, both * (1 + importance)
            ),
            "Opposites: feature 1's error is to be weighted by its importance.": table(
                importance * variance, variance, both * 2
            ),
            "Opposites: *each* of the two answers is off by the smaller one; you halved it.": table(
                importance * variance, variance, both / 2 * (1 + importance)
            ),
            "Transposed: it should be [setting, choice].": right.T,
            "Opposites: the mean of the *square* of the smaller one is 1/6; its mean is 1/3.": (
                table(importance * variance, variance, both * 2 * (1 + importance))
            ),
            "Opposites: the whole is weighted by importance, but feature 0 has importance 1: add "
            "the two.": table(importance * variance, variance, both * importance),
        },
    )
    one = two_in_one_losses(density[1:2], importance[1:2])
    match(one, right[1:2], what="The table of one setting", mistakes={})
    return "Three choices, and their price."


@exercise("utils.features.superposition.read_out")
def check_read_out(read_out) -> str:
    """Five directions of unequal length in 3 dimensions, 4 draws of 2; then draws of 1 and of 3."""
    directions = _random(5, 3)
    active = torch.tensor([[0, 3], [4, 1], [2, 0], [3, 4]])

    def reads(combine, rows=active) -> torch.Tensor:
        return torch.stack(
            [
                torch.stack([(combine(row) * directions[i]).sum() for i in range(5)])
                for row in rows.tolist()
            ]
        )

    def total(row) -> torch.Tensor:
        return sum(directions[i] for i in row)

    right = reads(total)
    length, sums = directions.norm(dim=-1), torch.stack([total(row) for row in active.tolist()])
    match(
        read_out(directions, active),
        right,
        what="The reading",
        mistakes={
            "That is the mean of the active directions: add them up.": right / 2,
            "Only the first active feature of each draw is there: sum over all k.": reads(
                lambda row: directions[row[0]]
            ),
            "Those are the sums themselves: each feature is still to be read off them.": sums,
            "Only the active features are read: the inactive ones matter too.": right.gather(
                1, active
            ),
            "Only the active features are read, and the others are 0: the inactive ones matter "
            "too.": torch.zeros_like(right).scatter(1, active, right.gather(1, active)),
            "You divided by the lengths of the directions: take the plain dot product.": right
            / length,
            "You divided by the lengths of the sums: take the plain dot product.": right
            / sums.norm(dim=-1, keepdim=True),
            "The sizes of the readings were taken: a reading below 0 is one, too.": right.abs(),
            "There is a ReLU on the readings: take the plain dot product.": right.relu(),
            "Transposed: it should be [draw, feature].": right.T,
            "You summed over the wrong axis: in `directions[active]`, [draw, k, dim], the middle "
            "one is k.": directions[active].sum(0) @ directions.T,
            "You summed the readings over all draws: each draw is its own sum.": right.sum(0),
        },
    )
    for rows in (active[:, :1], torch.tensor([[0, 3, 1], [4, 1, 2]]), active[:1]):
        match(
            read_out(directions, rows),
            reads(total, rows),
            what=f"The reading of {len(rows)} draws of {rows.shape[1]} features each",
            mistakes={
                "Your function reads two active features and no more: sum over all k of them, "
                "however many.": reads(lambda row: total(row[:2]), rows),
            },
        )
    return "All features, read off one sum."


@exercise("utils.features.superposition.shared_abs")
def check_shared_abs(shared_abs) -> str:
    """Features with 2, 1, 3 and 2 neurons, so that a constant divisor shows."""
    wiring = torch.tensor(
        [
            [1.0, -1, 0, 0, 0],
            [0, 1, 0, 0, 0],
            [0, 1, -1, 0, 1],
            [0, 0, -1, 1, 0],
        ]
    )
    x = torch.tensor([[0.5, 0, 0, 0], [-2, 0.7, 0, 0], [0.3, -1, 0.2, -0.4]])

    def estimate(
        gate, sign: bool = False, count=None, factor: float = 2.0, wires=wiring
    ) -> torch.Tensor:
        out = torch.zeros(3, 4)
        for r in range(3):
            sums = [sum(x[r, i] * wires[i, j] for i in range(4)) for j in range(5)]
            neurons = [gate(float(s)) for s in sums]
            for i in range(4):
                own = [j for j in range(5) if wiring[i, j] != 0]
                read = [neurons[j] * (wiring[i, j] if sign else 1) for j in own]
                out[r, i] = factor * sum(read) / (count or len(own))
        return out

    def relu(s: float) -> float:
        return max(s, 0.0)

    right = estimate(relu)
    match(
        shared_abs(x, wiring),
        right,
        what="The estimate",
        mistakes={
            "The ReLU is missing.": estimate(lambda s: s),
            "The neurons take an absolute value: they should be ReLUs.": estimate(abs),
            "The neurons take an absolute value (and the factor 2 is missing): they should be "
            "ReLUs.": estimate(abs, factor=1.0),
            "The neurons leave out the signs of the wiring: a feature is added times its sign.": (
                estimate(relu, wires=wiring.abs())
            ),
            "You divided by 25: here features have other numbers of neurons, so count them in "
            "`wiring`.": estimate(relu, count=25),
            "The reading uses the signs of the wiring: take the plain mean of a feature's "
            "neurons.": estimate(relu, sign=True),
            "The ReLU is missing, and the reading uses the signs.": estimate(lambda s: s, True),
            "That is |x| itself: the neurons are to estimate it.": x.abs(),
            "The estimate was cut off at 1: |x| may be larger.": right.clamp(max=1),
            "The factor 2 is missing: only half of a feature's neurons answer.": estimate(
                relu, factor=1.0
            ),
            "That is a sum: divide by how many neurons the feature has.": estimate(relu, count=1),
            "You divided by the number of *all* neurons: divide by how many this feature has.": (
                estimate(relu, count=5)
            ),
            "You divided by the number of *features*: divide by how many neurons each feature "
            "has.": estimate(relu, count=4),
        },
    )
    match(shared_abs(x[1:2], wiring), right[1:2], what="The estimate of one row", mistakes={})
    return "Neurons that serve several features at once."
