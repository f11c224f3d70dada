"""Checks of lesson 4.1, superposition."""

import math

import torch

from utils.checks.engine import exercise, expect, match


def _random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@exercise("utils.features.superposition.sparse_features")
def check_sparse_features(sparse_features) -> str:
    """Statistics of a large draw, since nobody can say which numbers are drawn."""
    density = torch.tensor([0.1, 0.7, 1.0])
    x = sparse_features(density.clone(), batch_size=4000, n=6, generator=_seeded(0))
    expect(isinstance(x, torch.Tensor), "The features should be one tensor.")
    shape = (3, 4000, 6)
    if tuple(x.shape) == shape[::-1] or tuple(x.shape) in {(4000, 3, 6), (3, 6, 4000)}:
        expect(False, "The axes are in another order: it should be [model, batch, feature].")
    match(list(x.shape), list(shape), what="The shape", mistakes={})
    x = x.detach().cpu().double()
    state = _seeded(0)
    again = sparse_features(density.clone(), batch_size=4000, n=6, generator=state)
    expect(
        torch.equal(again.cpu().double(), x),
        "The same seed gave other numbers: hand `generator` to *every* random function.",
    )
    more = sparse_features(density.clone(), batch_size=4000, n=6, generator=state)
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
    value = x[2].mean().item(), x[1][x[1] > 0].mean().item(), x[1].max().item()
    expect(
        abs(value[0] - 0.5) < 0.02,
        "With density 1 the mean of a feature should be 1/2: values are even between 0 and 1.",
    )
    of_two_toys = ((x[0] > 0) & (x[1] > 0)).double().mean().item()
    alike = (x[1] == x[2])[x[1] > 0].double().mean().item()
    expect(
        abs(of_two_toys - 0.07) < 0.012 and alike < 0.1,
        "The toys share one draw: each toy needs random numbers of its own, for the values and "
        "for who is active. Is the first axis of every `torch.rand` as long as `density`?",
    )
    expect(
        abs(value[1] - 0.5) < 0.02 and value[2] > 0.95,
        "The active features are not even between 0 and 1. Is the same random number used for who "
        "is active and for the value, or is the value cut off or scaled?",
    )
    expect(
        x[1][x[1] > 0].std().item() > 0.2,
        "The active features hardly differ: draw a value between 0 and 1 for each.",
    )
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
    arguments = (x.clone(), W.clone(), b.clone())
    mistakes = {
        "The ReLU is missing: negative numbers should become 0.": out(b, relu=False),
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
    match(toy_output(*arguments), out(b), what="The reconstruction", mistakes=mistakes)
    match(
        toy_output(*arguments, relu=False),
        out(b, relu=False),
        what="The reconstruction without ReLU",
        mistakes={"With `relu=False` there should be no ReLU: you do not look at `relu`.": out(b)},
    )
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
    match(
        weighted_loss(out.clone(), x.clone(), importance.clone()),
        right,
        what="The loss",
        mistakes={
            "Importance is left out.": loss(square, torch.ones(3, 4)),
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
    with_nan = right.clone()
    with_nan[0, 3] = math.nan
    got = dimensionality(W.clone())
    if isinstance(got, torch.Tensor) and got.shape == right.shape:
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
        two_in_one_losses(density.clone(), importance.clone()),
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
    return "Three choices, and their price."


@exercise("utils.features.superposition.read_out")
def check_read_out(read_out) -> str:
    """Five directions of unequal length in 3 dimensions, 4 draws of 2."""
    directions = _random(5, 3)
    active = torch.tensor([[0, 3], [4, 1], [2, 0], [3, 4]])

    def reads(combine) -> torch.Tensor:
        return torch.stack(
            [
                torch.stack([(combine(row) * directions[i]).sum() for i in range(5)])
                for row in active.tolist()
            ]
        )

    right = reads(lambda row: directions[row[0]] + directions[row[1]])
    mean = reads(lambda row: (directions[row[0]] + directions[row[1]]) / 2)
    first = reads(lambda row: directions[row[0]])
    length = directions.norm(dim=-1)
    total = torch.stack([directions[a] + directions[b] for a, b in active.tolist()])
    chosen = torch.stack(
        [torch.stack([right[r, i] for i in row]) for r, row in enumerate(active.tolist())]
    )
    match(
        read_out(directions.clone(), active.clone()),
        right,
        what="The reading",
        mistakes={
            "That is the mean of the active directions: add them up.": mean,
            "Only the first active feature of each draw is there: sum over all k.": first,
            "Those are the sums themselves: each feature is still to be read off them.": total,
            "Only the active features are read: the inactive ones matter too.": chosen,
            "You divided by the lengths of the directions: take the plain dot product.": right
            / length,
            "You divided by the lengths of the sums: take the plain dot product.": right
            / total.norm(dim=-1, keepdim=True),
            "Transposed: it should be [draw, feature].": right.T,
            "You summed over the wrong axis: in `directions[active]`, [draw, k, dim], the middle "
            "one is k.": directions[active].sum(0) @ directions.T,
            "You summed the readings over all draws: each draw is its own sum.": right.sum(0),
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

    match(
        shared_abs(x.clone(), wiring.clone()),
        estimate(relu),
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
    return "Neurons that serve several features at once."
