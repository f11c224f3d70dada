"""Lesson 4.1: the library's version of each exercise, and plausible wrong answers."""

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


def _abs(hidden=torch.relu, read=torch.abs, factor=2, count=None, wires=lambda w: w):
    def shared_abs(x, wiring):
        total = hidden(x @ wires(wiring)) @ read(wiring).T
        return factor * total / (count(wiring) if count else wiring.abs().sum(1))

    return shared_abs


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
            "scaled by density",
            _features(lambda s, p, g: _usual(s, p, g) * p),
            "cut off or scaled",
        ),
    ],
    "toy_output": [
        ("no relu", _toy(relu_as=lambda relu: False), "ReLU is missing"),
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
    ],
    "two_in_one_losses": [
        (
            "exchanged",
            lambda p, i: superposition.two_in_one_losses(p, i)[:, [1, 0, 2]],
            "exchanged",
        ),
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
        ("sum", _abs(count=lambda w: 1), "That is a sum"),
        ("all neurons", _abs(count=lambda w: w.shape[1]), "*all* neurons"),
        ("abs, no factor", _abs(hidden=torch.abs, factor=1), "factor 2 is missing): they"),
        ("no signs", _abs(wires=torch.abs), "leave out the signs"),
        ("25", _abs(count=lambda w: 25), "divided by 25"),
        ("features", _abs(count=lambda w: w.shape[0]), "*features*"),
    ],
}
