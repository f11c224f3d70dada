"""Lesson 4.1: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch

from utils.features import superposition


def _features(mask, value=torch.rand):
    """Features with another mask, from (size, density, generator), or other values."""

    def sparse_features(density, *, batch_size, n, generator):
        size = (len(density), batch_size, n)
        active = mask(size, density[:, None, None], generator)
        return value(size, generator=generator) * active

    return sparse_features


def _usual(size, density, generator):
    return torch.rand(size, generator=generator) < density


def _one_number(density, *, batch_size, n, generator):
    drawn = torch.rand(len(density), batch_size, n, generator=generator)
    return drawn * (drawn < density[:, None, None])


def _reseeded(density, *, batch_size, n, generator):
    generator = generator.manual_seed(3)
    return superposition.sparse_features(density, batch_size=batch_size, n=n, generator=generator)


def _shared(values=1, mask=1):
    """Toys that share their values or who is active (1), or not (None: one for each toy)."""

    def sparse_features(density, *, batch_size, n, generator):
        drawn = torch.rand(values or len(density), batch_size, n, generator=generator)
        active = torch.rand(mask or len(density), batch_size, n, generator=generator)
        return drawn * (active < density[:, None, None])

    return sparse_features


def _moved(*axes):
    def sparse_features(density, *, batch_size, n, generator):
        made = superposition.sparse_features(
            density, batch_size=batch_size, n=n, generator=generator
        )
        return made.permute(axes)

    return sparse_features


def _fixed_size(density, *, batch_size, n, generator):
    drawn = torch.rand(3, 4000, 6, generator=generator)
    active = torch.rand(3, 4000, 6, generator=generator) < density[:, None, None]
    return drawn * active


def _toy(bias=lambda b: b, after=0, hidden=lambda h: h, relu_as=lambda relu: relu):
    def toy_output(x, W, b, *, relu=True):
        out = hidden(x @ W) @ W.mT + bias(b)[:, None]
        return (out.relu() if relu_as(relu) else out) + after * b[:, None]

    return toy_output


def _loss(error, importance=lambda i: i, end=lambda table: table.mean(1).sum(-1)):
    return lambda out, x, i: end(error(out - x) * importance(i)[:, None])


def _square(e):
    return e**2


def _dim(top, unit=lambda W: torch.nn.functional.normalize(W, dim=-1), other=lambda W: W, end=None):
    def dimensionality(W):
        on_it = unit(W) @ other(W).mT
        below = (end or (lambda dots: (dots**2).sum(-1)))(on_it)
        return top(W.norm(dim=-1)) / below.clamp(min=1e-12)

    return dimensionality


def _normal(W):
    return torch.nn.functional.normalize(W, dim=-1)


def _without_self(dots):
    return (dots**2).sum(-1) - dots.diagonal(dim1=1, dim2=2) ** 2


def _dots_not_squared(W):
    below = (_normal(W) @ W.mT).sum(-1)
    return torch.where(below == 0, 0, W.norm(dim=-1) ** 2 / below)


def _nan(W):
    unit = W / W.norm(dim=-1, keepdim=True)
    return W.norm(dim=-1) ** 2 / ((unit @ W.mT) ** 2).sum(-1)


def _pair(var=lambda p: p / 3 - p**2 / 4, i_0=lambda i: i, both=lambda p, i: p**2 * (1 + i) / 6):
    return lambda p, i: torch.stack([i_0(i) * var(p), var(p), both(p, i)], -1)


def _active_only(directions, active):
    reads = directions[active].sum(1) @ directions.T
    return torch.zeros_like(reads).scatter(1, active, reads.gather(1, active))


def _abs(hidden=torch.relu, read=torch.abs, factor=2, count=None, wires=lambda w: w):
    def shared_abs(x, wiring):
        total = hidden(x @ wires(wiring)) @ read(wiring).T
        return factor * total / (count(wiring) if count else wiring.abs().sum(1))

    return shared_abs


def _toy_by_toy(density, *, batch_size, n, generator):
    toys = []
    for p in density.tolist():
        values = torch.rand(batch_size, n, generator=generator)
        values[torch.rand(batch_size, n, generator=generator) >= p] = 0
        toys.append(values)
    return torch.stack(toys)


def _bernoulli(density, *, batch_size, n, generator):
    p = density.view(-1, 1, 1).expand(-1, batch_size, n)
    active = torch.bernoulli(p, generator=generator)
    return active * torch.rand(active.shape, generator=generator)


def _rows_of_toys(x, W, b, *, relu=True):
    toys = []
    for rows, directions, bias in zip(x, W, b, strict=True):
        out = torch.stack([directions @ (row @ directions) + bias for row in rows])
        toys.append(out.clamp(min=0) if relu else out)
    return torch.stack(toys)


def _toys_by_einsum(x, W, b, *, relu=True):
    out = torch.einsum("mbi,mid,mjd->mbj", x, W, W) + b.unsqueeze(1)
    return torch.where(out > 0, out, 0.0) if relu else out


def _loss_by_toys(out, x, importance):
    pairs = zip(out, x, importance, strict=True)
    return torch.stack([(((o - y) ** 2) @ i).mean() for o, y, i in pairs])


def _dimensionality_by_loops(W):
    found = torch.zeros(W.shape[:2])
    for m, toy in enumerate(W):
        for i, direction in enumerate(toy):
            if direction.any():
                unit = direction / direction.norm()
                found[m, i] = direction.norm() ** 2 / sum((unit @ other) ** 2 for other in toy)
    return found


def _dimensionality_by_numpy(W):
    W = W.numpy()
    square = (W**2).sum(-1)
    below = np.einsum("mid,mjd->mij", W, W) ** 2  # |W_i|^4 / sum_j (W_i . W_j)^2
    return torch.from_numpy(square**2 / np.maximum(below.sum(-1), 1e-12))


def _pair_by_settings(density, importance):
    rows = []
    for p, i in zip(density.tolist(), importance.tolist(), strict=True):
        variance = p * (1 / 3 - p / 4)
        rows.append([i * variance, variance, p * p / 6 + i * p * p / 6])
    return torch.tensor(rows)


def _pair_in_columns(density, importance):
    table = torch.empty(len(density), 3)
    table[:, 1] = density / 3 - (density / 2) ** 2
    table[:, 0] = table[:, 1] * importance
    table[:, 2] = density**2 / 6 * (1 + importance)
    return table


def _read_by_rows(directions, active):
    return torch.stack([sum(directions[i] @ directions.T for i in row) for row in active])


def _read_by_counts(directions, active):
    on = torch.zeros(len(active), len(directions)).scatter(1, active, 1.0)
    return on @ directions @ directions.T


def _abs_by_features(x, wiring):
    neurons = (x @ wiring).clamp(min=0)
    return torch.stack([2 * neurons[:, row != 0].mean(1) for row in wiring], dim=1)


def _abs_by_numpy(x, wiring):
    wired = (wiring != 0).float().numpy()
    neurons = np.maximum(x.numpy() @ wiring.numpy(), 0)
    return torch.from_numpy(2 * (neurons @ wired.T) / wired.sum(1))


RIGHT = {
    "sparse_features": [("a loop over toys", _toy_by_toy), ("bernoulli", _bernoulli)],
    "toy_output": [("loops", _rows_of_toys), ("einsum", _toys_by_einsum)],
    "weighted_loss": [
        ("a loop over toys", _loss_by_toys),
        ("einsum", lambda o, x, i: torch.einsum("mbi,mi->m", (o - x).pow(2), i) / o.shape[1]),
    ],
    "dimensionality": [("loops", _dimensionality_by_loops), ("numpy", _dimensionality_by_numpy)],
    "two_in_one_losses": [("numbers", _pair_by_settings), ("columns", _pair_in_columns)],
    "read_out": [("a loop over draws", _read_by_rows), ("counts", _read_by_counts)],
    "shared_abs": [("a loop over features", _abs_by_features), ("numpy", _abs_by_numpy)],
}

MISTAKES = {
    "sparse_features": [
        ("sparsity", _features(lambda s, p, g: torch.rand(s, generator=g) < 1 - p), "exchanged"),
        (
            "one mask a row",
            _features(lambda s, p, g: torch.rand(*s[:2], 1, generator=g) < p),
            "independent",
        ),
        (
            "one mask for all rows",
            _features(lambda s, p, g: torch.rand(s[0], 1, s[2], generator=g) < p),
            "All rows are alike",
        ),
        ("normal values", _features(_usual, torch.randn), "outside 0 to 1"),
        ("ones", _features(_usual, lambda size, generator: torch.ones(size)), "should be 1/2"),
        ("no generator", _features(lambda s, p, g: torch.rand(s) < p), "hand `generator`"),
        ("a seed of its own", _reseeded, "do not set its seed"),
        ("one number for both", _one_number, "not even between 0 and 1"),
        (
            "masked twice",
            _features(lambda s, p, g: _usual(s, p, g) & _usual(s, p, g)),
            "masked twice",
        ),
        ("first density", _features(lambda s, p, g: _usual(s, p[:1], g)), "own density"),
        ("one draw for all toys", _shared(), "share one draw"),
        ("one draw of values", _shared(mask=None), "share one draw"),
        ("one draw of who is active", _shared(values=None), "share one draw"),
        ("batch first", _moved(1, 0, 2), "another order"),
        (
            "one value a row",
            _features(_usual, lambda s, generator: torch.rand(*s[:2], 1, generator=generator)),
            "for each feature of a row",
        ),
        (
            "one value for all rows",
            _features(_usual, lambda s, generator: torch.rand(s[0], 1, s[2], generator=generator)),
            "for each row anew",
        ),
        (
            "a mean of two",
            _features(_usual, lambda s, generator: torch.rand(2, *s, generator=generator).mean(0)),
            "or averaged",
        ),
        (
            "half precision",
            lambda *args, **how: superposition.sparse_features(*args, **how).half(),
            "should be float32",
        ),
        ("fixed sizes", _fixed_size, "With one toy"),
        (
            "scaled by density",
            _features(lambda s, p, g: _usual(s, p, g) * p),
            "cut off, scaled",
        ),
    ],
    "toy_output": [
        ("no relu", _toy(relu_as=lambda relu: False), "ReLU is missing"),
        ("clamped", lambda *args, **how: _toy()(*args, **how).clamp(0, 1), "no upper end"),
        ("size", lambda *args, **how: _toy(relu_as=lambda relu: False)(*args).abs(), "size was"),
        ("squeezed axes", lambda *args, **how: _toy()(*args, **how).squeeze(), "one row by one"),
        ("no gradient", lambda *args, **how: _toy()(*args, **how).detach(), "no gradient"),
        (
            "one of two weights",
            lambda x, W, b, **how: _toy()(x, W.detach(), b, **how),
            "gradients do not reach",
        ),
        ("relu always", _toy(relu_as=lambda relu: True), "do not look at `relu`"),
        ("no bias", _toy(bias=lambda b: 0 * b), "bias is missing"),
        ("bias after", _toy(bias=lambda b: 0 * b, after=1), "after the ReLU"),
        ("minus bias", _toy(bias=lambda b: -b), "subtracted"),
        ("hidden relu", _toy(hidden=torch.relu), "squeezed numbers"),
        (
            "hidden relu only",
            _toy(hidden=torch.relu, relu_as=lambda relu: False),
            "none on the output",
        ),
        ("squeezed", lambda x, W, b, *, relu=True: x @ W, "way back"),
    ],
    "weighted_loss": [
        ("no importance", _loss(_square, torch.ones_like), "left out"),
        ("squared importance", _loss(_square, lambda i: i**2), "squared: multiply"),
        ("first importance", _loss(_square, lambda i: i[:1]), "first toy's importance"),
        ("weighted mean", _loss(_square, lambda i: i / i.sum(1, keepdim=True)), "by the summed"),
        ("root", lambda *given: _loss(_square)(*given).sqrt(), "root of the squared"),
        ("no gradient", lambda *given: _loss(_square)(*given).detach(), "no gradient"),
        ("numbers", lambda *given: torch.tensor(_loss(_square)(*given).tolist()), "no gradient"),
        (
            "a new tensor",
            lambda *given: _loss(_square)(*given).detach().requires_grad_(),
            "has no gradient",
        ),
        ("squeezed", lambda *given: _loss(_square)(*given).squeeze(), "one toy on one row"),
        ("absolute", _loss(torch.abs), "absolute error"),
        ("not squared", _loss(lambda e: e), "cancel"),
        ("mean over features", _loss(_square, end=lambda t: t.mean((1, 2))), "sum over them"),
        ("sum over batch", _loss(_square, end=lambda t: t.sum((1, 2))), "average over it"),
        ("one number", _loss(_square, end=lambda t: t.mean(1).sum()), "One loss for each toy"),
        ("by feature", _loss(_square, end=lambda t: t.mean(1)), "not yet over features"),
        ("by row", _loss(_square, end=lambda t: t.sum(-1)), "batch is axis 1"),
    ],
    "dimensionality": [
        ("length not squared", _dim(lambda n: n), "above the line is not squared"),
        (
            "dots not squared",
            _dots_not_squared,
            "dot products are not squared",
        ),
        ("not unit", _dim(_square, unit=lambda W: W), "one of the two is missing"),
        ("both unit", _dim(_square, other=_normal), "Both directions"),
        ("wrong one unit", _dim(_square, unit=lambda W: W, other=_normal), "length of W_j"),
        ("without itself", _dim(_square, end=_without_self), "itself is left out"),
        ("no length above", _dim(lambda n: (n > 0).float()), "one of the two is missing"),
        ("wrong axis", _dim(_square, unit=torch.nn.functional.normalize), "wrong axis"),
        ("nan", _nan, "nan"),
        ("half", lambda W: superposition.dimensionality(W).half(), "should be torch.float32"),
        ("double", lambda W: superposition.dimensionality(W.double()), "float64"),
        ("squeezed", lambda W: superposition.dimensionality(W).squeeze(), "a feature alone"),
    ],
    "two_in_one_losses": [
        (
            "exchanged",
            lambda p, i: superposition.two_in_one_losses(p, i)[:, [1, 0, 2]],
            "exchanged",
        ),
        (
            "squeezed",
            lambda p, i: superposition.two_in_one_losses(p, i).squeeze(),
            "one setting",
        ),
        ("in place", lambda p, i: _pair()(p, i.clamp_(max=1)), "changes its input `i`"),
        ("one feature", _pair(both=lambda p, i: p**2 / 6), "for one of the features"),
        ("p once", _pair(both=lambda p, i: p * (1 + i) / 6), "probability of that"),
        ("importance missing", _pair(i_0=torch.ones_like), "importance of a dropped"),
        ("mean square", _pair(var=lambda p: p / 3), "mean square"),
        ("active variance", _pair(var=lambda p: 0 * p + 1 / 12), "an active feature"),
        ("one third", _pair(both=lambda p, i: p**2 * (1 + i) / 3), "its mean is 1/3"),
        ("times importance", _pair(both=lambda p, i: p**2 * i / 6), "add the two"),
        ("no luck", _pair(var=lambda p: p / 12), "matter of luck"),
        ("importance forgotten", _pair(both=lambda p, i: p**2 / 3 + 0 * i), "to be weighted"),
        ("halved", _pair(both=lambda p, i: p**2 * (1 + i) / 12), "you halved it"),
        ("transposed", lambda p, i: superposition.two_in_one_losses(p, i).T, "Transposed"),
    ],
    "read_out": [
        ("mean", lambda d, a: d[a].mean(1) @ d.T, "mean of the active"),
        ("first", lambda d, a: d[a[:, 0]] @ d.T, "Only the first"),
        ("two", lambda d, a: (d[a[:, 0]] + d[a[:, -1]]) @ d.T, "draws of 1 features"),
        ("first two", lambda d, a: d[a[:, :2]].sum(1) @ d.T, "two active features and no more"),
        ("sizes", lambda d, a: (d[a].sum(1) @ d.T).abs(), "sizes of the readings"),
        ("relu", lambda d, a: (d[a].sum(1) @ d.T).relu(), "ReLU on the readings"),
        ("active, else 0", _active_only, "and the others are 0"),
        ("sums", lambda d, a: d[a].sum(1), "sums themselves"),
        ("active only", lambda d, a: (d[a].sum(1) @ d.T).gather(1, a), "inactive ones"),
        (
            "cosine",
            lambda d, a: d[a].sum(1) @ torch.nn.functional.normalize(d, dim=-1).T,
            "lengths of the directions",
        ),
        ("unit sum", lambda d, a: _normal(d[a].sum(1)) @ d.T, "lengths of the sums"),
        ("transposed", lambda d, a: d @ d[a].sum(1).T, "Transposed"),
        ("wrong axis", lambda d, a: d[a].sum(0) @ d.T, "wrong axis"),
    ],
    "shared_abs": [
        ("no relu", _abs(hidden=lambda h: h), "ReLU is missing"),
        ("abs neurons", _abs(hidden=torch.abs), "absolute value"),
        ("signs", _abs(read=lambda w: w), "uses the signs"),
        ("no factor", _abs(factor=1), "factor 2"),
        ("exact", lambda x, wiring: x.abs(), "|x| itself"),
        ("cut off", lambda x, wiring: _abs()(x, wiring).clamp(max=1), "cut off at 1"),
        ("first row", lambda x, wiring: _abs()(x[:3], wiring)[[0, 0, 0]], "should be"),
        ("sum", _abs(count=lambda w: 1), "That is a sum"),
        ("all neurons", _abs(count=lambda w: w.shape[1]), "*all* neurons"),
        ("abs, no factor", _abs(hidden=torch.abs, factor=1), "factor 2 is missing): they"),
        ("no signs", _abs(wires=torch.abs), "leave out the signs"),
        ("25", _abs(count=lambda w: 25), "divided by 25"),
        ("features", _abs(count=lambda w: w.shape[0]), "*features*"),
    ],
}
