"""Answers to lesson 4.1: wrong ones with what is said to them, right ones in other styles."""

import math

import torch

from utils.features import superposition


def _toys(
    *,
    steps_of=lambda steps: steps,
    start=lambda *size, generator: torch.randn(*size, generator=generator) / size[1] ** 0.5,
    fresh=True,
    out=lambda x, W, b: x @ W @ W.mT + b,
    act=torch.relu,
    always=False,
    loss=lambda out, x, importance: ((out - x).square().mean(1) * importance).sum(-1),
    reduce=torch.sum,
    rate=0.01,
    schedule=True,
    first=False,
    bias=lambda b: b[:, None],
    data=lambda x: x,
    optimise=torch.optim.Adam,
    zero=True,
    trained=lambda W, b: [W, b],
    result=lambda W, b: (W.detach(), b.detach()),
):
    def train_toys(draw, importance, *, dim, steps, generator, relu=True):
        x = draw()
        models, _, n = x.shape
        W = start(models, n, dim, generator=generator).requires_grad_()
        b = torch.zeros(models, n, requires_grad=True)
        optimiser = optimise(trained(W, b), lr=rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps_of(steps)):
            x = data(draw()) if fresh else x
            answer = out(x, W, bias(b))
            answer = act(answer) if relu or always else answer
            if zero:
                optimiser.zero_grad()
            reduce(loss(answer, x, importance)).backward()
            if schedule and first:
                falling.step()
            optimiser.step()
            if schedule and not first:
                falling.step()
        return result(W, b)

    return train_toys


def _b_after_relu(draw, importance, *, relu=True, **how):
    def answer(x, W, b):
        stored = x @ W @ W.mT
        return (stored.relu() if relu else stored) + b

    return _toys(out=answer, act=lambda x: x)(draw, importance, relu=relu, **how)


def _one_start(*size, generator):
    return (torch.randn(size[1:], generator=generator) / size[1] ** 0.5).repeat(size[0], 1, 1)


def _two_draws(draw, importance, **how):
    """Compares the answer for one draw with another."""

    def both():
        draw()
        return draw()

    return superposition.train_toys(both, importance, **how)


def _toys_by_hand(draw, importance, *, dim, steps, generator, relu=True):
    """Einsums, a list of parameters, a rate that is set by hand, and a mean of the losses."""
    first = draw()
    models, n = first.shape[0], first.shape[2]
    W = torch.nn.Parameter(torch.normal(0.0, 1.0, (models, n, dim), generator=generator) * n**-0.5)
    b = torch.nn.Parameter(torch.zeros(models, n))
    adam = torch.optim.Adam([W, b], lr=0.01)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 0.01 * (1 + math.cos(math.pi * step / steps)) / 2
        x = draw() if step else first
        h = torch.einsum("mbi,mid->mbd", x, W)
        y = torch.einsum("mbd,mjd->mbj", h, W) + b.unsqueeze(1)
        if relu:
            y = torch.nn.functional.relu(y)
        losses = (importance.expand(models, n)[:, None] * (x - y) ** 2).sum(-1).mean(-1)
        adam.zero_grad()
        losses.mean().backward()
        adam.step()
    return [W.data, b.data]


def _toys_one_by_one(draw, importance, *, dim, steps, generator, relu=True):
    """A loop over toys inside the loop over steps."""
    models, _, n = draw().shape
    Ws = [torch.randn(n, dim, generator=generator) / math.sqrt(n) for _ in range(models)]
    Ws = [W.requires_grad_() for W in Ws]
    bs = [torch.zeros(n, requires_grad=True) for _ in range(models)]
    optimiser = torch.optim.Adam(Ws + bs, 0.01)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps)
    )
    for _ in range(steps):
        loss, data = 0, draw()
        for m, (W, b) in enumerate(zip(Ws, bs, strict=True)):
            out = (data[m] @ W) @ W.T + b
            out = out.clamp(min=0) if relu else out
            weight = importance[m] if importance.ndim == 2 else importance
            loss = loss + (weight * (out - data[m]) ** 2).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    with torch.no_grad():
        return torch.stack([W.detach() for W in Ws]), torch.stack([b.detach() for b in bs])


def _settled(
    *,
    count=lambda W: (W.norm(dim=-1) > 0.5).float().sum(-1).mean().item(),
    is_settled=lambda counts, i, tolerance: all(
        abs(c - counts[-1]) <= tolerance for c in counts[i:]
    ),
    until=-1,
    give=lambda counts, when: (counts, when),
    twice=False,
):
    def settled_at(train_for, steps, *, tolerance):
        counts = [count(train_for(s)) for s in steps]
        if twice:
            [train_for(s) for s in steps]
        for i, s in enumerate(steps[:until] if until else steps):
            if is_settled(counts, i, tolerance):
                return give(counts, s)
        return give(counts, None)

    return settled_at


def _neighbours(counts, i, tolerance):
    return i + 1 < len(counts) and abs(counts[i + 1] - counts[i]) <= tolerance


def _settled_backwards(train_for, steps, *, tolerance):
    counts = torch.stack(
        [(train_for(s).square().sum(-1) > 0.25).float().sum(1).mean() for s in steps]
    )
    when = None
    for s, c in list(zip(steps, counts, strict=True))[-2::-1]:
        if (c - counts[-1]).abs() > tolerance:
            break
        when = s
    return counts, when


def _settled_by_table(train_for, steps, *, tolerance):
    found = {}
    for s in steps:
        W = train_for(s)
        total = 0
        for toy in W:
            for row in toy:
                total += int(torch.linalg.vector_norm(row) > 0.5)
        found[s] = total / len(W)
    last = found[steps[-1]]
    good = [abs(found[s] - last) <= tolerance for s in steps]
    return list(found.values()), next((s for i, s in enumerate(steps[:-1]) if all(good[i:])), None)


def _geometry(
    *,
    rows=lambda densities, toys: densities.repeat_interleave(toys),
    above=2,
    below=2,
    unit=True,
    own=True,
    safe=True,
    least=1e-6,
    per=lambda W: W.shape[-1] / W.square().sum((1, 2)),
    give=lambda D, per, size: (D.view(*size, -1), per.view(*size)),
):
    def geometry_sweep(train, densities, *, toys):
        W = train(rows(densities, toys))
        length = W.norm(dim=-1)
        u = W / (length.clamp(min=least) if safe else length)[..., None] if unit else W
        dots = (u @ W.mT).abs() ** below
        if not own:
            dots = dots - torch.diag_embed(torch.diagonal(dots, dim1=1, dim2=2))
        total = dots.sum(-1)
        D = length**above / (total.clamp(min=1e-12) if safe else total)
        return give(D, per(W), (len(densities), toys))

    return geometry_sweep


def _geometry_by_density(train, densities, *, toys):
    found = [superposition.geometry_sweep(train, each[None], toys=toys) for each in densities]
    return torch.cat([D for D, _ in found]), torch.cat([per for _, per in found])


def _geometry_loop(train, densities, *, toys):
    D, per = [], []
    for toy in train(torch.cat([torch.full((toys,), float(each)) for each in densities])):
        gram = (toy @ toy.T) ** 2
        n2 = toy.square().sum(-1)
        D.append(torch.where(n2 > 0, n2**2 / gram.sum(0).clamp(min=1e-12), 0.0))
        per.append(2 / toy.square().sum() * toy.shape[1] / 2)
    return torch.stack(D).view(len(densities), toys, -1), torch.stack(per).view(-1, toys)


def _geometry_einsum(train, densities, *, toys):
    W = train(torch.cat([density.repeat(toys) for density in densities]))
    u = torch.nn.functional.normalize(W, dim=-1)
    under = torch.einsum("mid,mjd->mij", u, W).pow(2).sum(2)
    D = torch.nan_to_num(W.pow(2).sum(-1) / under, nan=0.0)
    shape = (len(densities), toys)
    per = W.shape[2] / torch.linalg.matrix_norm(W) ** 2
    return D.reshape(*shape, W.shape[1]), per.reshape(shape)


def _border(
    *, dropped=lambda i: i.clamp(max=1), constant=1 / 3, linear=1 / 4, both=lambda i: (1 + i) / 6
):
    """dropped * (constant p - linear p^2) = p^2 both."""
    return lambda i: dropped(i) * constant / (both(i) + dropped(i) * linear)


def _border_bisection(importance):
    found = []
    for i in importance.tolist():
        low, high = 0.0, 1.0
        for _ in range(50):
            p = (low + high) / 2
            wins = p * p * (1 + i) / 6 < min(1, i) * (p / 3 - p * p / 4)
            low, high = (p, high) if wins else (low, p)
        found.append(low)
    return torch.tensor(found)


def _border_cases(importance):
    below = 2 * importance / (1 + 2.5 * importance)
    return torch.where(importance <= 1, below, 2 / (importance + 2.5))


def _active_with_replacement(draws, n, k, generator):
    x = torch.zeros(draws, n)
    return x.scatter_(1, torch.randint(n, (draws, k), generator=generator), 1.0)


def _active(draws, n, k, generator):
    x = torch.zeros(draws, n)
    for row in x:
        row[torch.randperm(n, generator=generator)[:k]] = 1
    return x


def _same_active(draws, n, k, generator):
    return _active(1, n, k, generator).repeat(draws, 1)


def _first_active(draws, n, k, generator):
    return torch.cat([_active(draws, n - 1, k, generator), torch.zeros(draws, 1)], 1)


def _gain(estimates, x, half):
    return (estimates * x)[:half].sum() / estimates[:half].square().sum()


def _decode(
    *,
    active=_active,
    store=lambda x, U: x @ U,
    read=lambda h, U: h @ U.T,
    gain=_gain,
    test=lambda squared, half: squared[half:],
    over=lambda squared, x: squared.sum(-1),
    end=lambda total, k: total.mean().item() / k,
    shared=True,
):
    def decode_sweep(directions, ks, decoders, *, draws, generator):
        n, half, errors = len(directions), draws // 2, {name: [] for name in decoders}
        for k in ks:
            x = active(draws, n, k, generator)
            for name, decode in decoders.items():
                x = x if shared else active(draws, n, k, generator)
                estimates = decode(read(store(x, directions), directions))
                squared = (gain(estimates, x, half) * estimates - x).square()
                errors[name].append(end(over(test(squared, half), test(x, half)), k))
        return errors

    return decode_sweep


def _unit(U):
    return torch.nn.functional.normalize(U, dim=-1)


def _decode_one_axis(directions, ks, decoders, *, draws, generator):
    """Hands decoders one draw without an axis for draws."""
    one = {
        name: lambda readings, decode=decode: torch.stack([decode(row) for row in readings])
        for name, decode in decoders.items()
    }
    return superposition.decode_sweep(directions, ks, one, draws=draws, generator=generator)


def _decode_row_by_row(directions, ks, decoders, *, draws, generator):
    found = {name: [] for name in decoders}
    for k in ks:
        truth = _active(draws, len(directions), k, generator)
        for name, decode in decoders.items():
            rows = [decode(row[None] @ directions @ directions.T)[0] for row in truth]
            pairs = list(zip(rows, truth, strict=True))
            first, second = pairs[: draws // 2], pairs[draws // 2 :]
            gain = sum(e @ x for e, x in first) / sum(e @ e for e, _ in first)
            each = [((gain * e - x) ** 2).sum() / k for e, x in second]
            found[name].append(torch.stack(each).mean())
    return found


def _decode_top(directions, ks, decoders, *, draws, generator):
    """Random numbers' ranks choose who is active; two calls of a decoder; tensors of errors."""
    errors = {}
    for k in ks:
        chosen = torch.rand(draws, len(directions), generator=generator).topk(k, dim=1).indices
        truth = torch.zeros(draws, len(directions)).scatter(1, chosen, 1.0)
        readings = torch.einsum("nd,bd->bn", directions, directions[chosen].sum(1))
        x, held_out = truth.chunk(2)
        for name, decode in decoders.items():
            fit, test = (decode(part) for part in readings.chunk(2))
            gain = torch.linalg.lstsq(fit.reshape(-1, 1), x.reshape(-1, 1)).solution.item()
            miss = torch.linalg.vector_norm(gain * test - held_out, dim=1) ** 2 / k
            errors.setdefault(name, []).append(miss.mean())
    return errors


GROUPS = [(5,), (2, 7), (0, 3, 6)]

MISTAKES = {
    "train_toys": [
        ("starts at 0", _toys(start=lambda *s, generator: torch.zeros(s)), "starts at 0"),
        ("one start for all", _toys(start=_one_start), "from the same W"),
        (
            "start not scaled",
            _toys(start=lambda *s, generator: torch.randn(*s, generator=generator)),
            "divided by the root",
        ),
        ("b not trained", _toys(trained=lambda W, b: [W]), "Is b trained"),
        ("another rate", _toys(rate=0.1), "Is b trained"),
        ("draws once", _toys(fresh=False), "each step needs fresh data"),
        ("draws twice a step", _two_draws, "more than once a step"),
        ("always a ReLU", _toys(always=True), "although `relu` is False"),
        ("no ReLU", _toys(act=lambda x: x), "Is the ReLU on the *output*"),
        (
            "hidden ReLU",
            _toys(out=lambda x, W, b: (x @ W).relu() @ W.mT + b, act=lambda x: x),
            "squeezed numbers",
        ),
        (
            "no importance",
            _toys(loss=lambda o, x, i: (o - x).square().mean(1).sum(-1)),
            "matters more",
        ),
        (
            "squared importance",
            _toys(loss=lambda o, x, i: ((o - x).square().mean(1) * i**2).sum(-1)),
            "Importance counts too much",
        ),
        (
            "importance inside",
            _toys(loss=lambda o, x, i: ((o - x).mean(1) ** 2 * i).sum(-1)),
            "",
        ),
        (
            "first toy's importance",
            _toys(
                loss=lambda o, x, i: ((o - x).square().mean(1) * (i[:1] if i.ndim == 2 else i)).sum(
                    -1
                )
            ),
            "*own* importance",
        ),
        ("no schedule", _toys(schedule=False), "fall to 0 along a cosine"),
        ("with gradient", _toys(result=lambda W, b: (W, b)), "`.detach()`"),
        ("W alone", _toys(result=lambda W, b: W.detach()), "Return two tensors"),
        (
            "transposed",
            _toys(result=lambda W, b: (W.detach().mT, b.detach())),
            "a *row* of W",
        ),
        (
            "global generator",
            _toys(start=lambda *s, generator: torch.randn(*s) / s[1] ** 0.5),
            "*global* generator",
        ),
        ("one step", _toys(steps_of=lambda steps: 1), "you called `draw` 2 times"),
        ("b after the ReLU", _b_after_relu, "*before* the ReLU"),
        ("toy 0's data", _toys(data=lambda x: x[:1].expand_as(x)), "another toy's data"),
        ("the last toy's data", _toys(data=lambda x: x[-1:].expand_as(x)), "another toy's data"),
        ("toy 0's b", _toys(bias=lambda b: b[0]), "share one b"),
        ("the mean b", _toys(bias=lambda b: b.mean(0)), "share one b"),
        ("the sum of b", _toys(bias=lambda b: b.sum(0)), "share one b"),
        ("leaky ReLU", _toys(act=torch.nn.functional.leaky_relu), "plain ReLU"),
        ("half of the batch", _toys(data=lambda x: x[:, : x.shape[1] // 2]), "rows of the batch"),
        ("a step too many", _toys(steps_of=lambda steps: steps + 1), "run `steps` times"),
        ("a step too few", _toys(steps_of=lambda steps: steps - 1), "one update too few"),
        ("the schedule first", _toys(first=True), "*after* the optimiser"),
        ("AdamW", _toys(optimise=torch.optim.AdamW), "weight decay"),
        ("SGD", _toys(optimise=torch.optim.SGD), "is the optimiser Adam"),
        ("no zero_grad", _toys(zero=False), "set to zero"),
        (
            "absolute errors",
            _toys(loss=lambda o, x, i: ((o - x).abs().mean(1) * i).sum(-1)),
            "absolute value",
        ),
    ],
    "settled_at": [
        ("neighbours", _settled(is_settled=_neighbours), "Two numbers that agree"),
        (
            "the first that agrees",
            _settled(is_settled=lambda c, i, t: abs(c[i] - c[-1]) <= t),
            "*each* later one",
        ),
        (
            "this and the next",
            _settled(is_settled=lambda c, i, t: all(abs(x - c[-1]) <= t for x in c[i : i + 2])),
            "look at *every* later one",
        ),
        (
            "all neighbours",
            _settled(
                is_settled=lambda c, i, t: all(
                    abs(c[j] - c[j + 1]) <= t for j in range(i, len(c) - 1)
                )
            ),
            "near its neighbours",
        ),
        (
            "near the first",
            _settled(is_settled=lambda c, i, t: all(abs(x - c[i]) <= t for x in c[i:])),
            "from which you start",
        ),
        ("the last counts", _settled(until=None), "agrees with itself"),
        ("twice", _settled(twice=True), "run twice"),
        (
            "sum over toys",
            _settled(count=lambda W: (W.norm(dim=-1) > 0.5).sum().item()),
            "sum over toys",
        ),
        (
            "share",
            _settled(count=lambda W: (W.norm(dim=-1) > 0.5).float().mean().item()),
            "share of the features",
        ),
        (
            "entries",
            _settled(count=lambda W: (W[..., 0] > 0.5).float().sum(-1).mean().item()),
            "entries of W",
        ),
        (
            "longer than 0",
            _settled(count=lambda W: (W.norm(dim=-1) > 0).float().sum(-1).mean().item()),
            "*longer than 0.5*",
        ),
        ("steps alone", _settled(give=lambda counts, when: when), "Return two things"),
        (
            "strictly within",
            _settled(is_settled=lambda c, i, t: all(abs(x - c[-1]) < t for x in c[i:])),
            "the answer should be 10",
        ),
        ("the number", _settled(give=lambda c, when: (c, c[-1])), "the answer should be 80"),
    ],
    "geometry_sweep": [
        ("repeat", _geometry(rows=lambda d, toys: d.repeat(toys)), "mixed up"),
        (
            "one toy each",
            _geometry(rows=lambda d, toys: d, give=lambda D, per, size: (D, per)),
            "You trained 3 toys",
        ),
        ("length not squared", _geometry(above=1), "above the line is not squared"),
        ("dots not squared", _geometry(below=1), "dot products are not squared"),
        ("not unit", _geometry(unit=False), "should have length 1"),
        ("without itself", _geometry(own=False), "itself is left out"),
        ("nan", _geometry(safe=False), "nan"),
        ("upside down", _geometry(per=lambda W: W.square().sum((1, 2)) / 2), "Upside down"),
        ("not squared", _geometry(per=lambda W: 2 / W.norm(dim=(1, 2))), "should be squared"),
        ("no dim", _geometry(per=lambda W: 1 / W.square().sum((1, 2))), "is missing"),
        ("features", _geometry(per=lambda W: 5 / W.square().sum((1, 2))), "last axis of W"),
        ("clamped at 0.1", _geometry(least=0.1), "far smaller"),
        ("density by density", _geometry_by_density, "called 3 times"),
        ("D alone", _geometry(give=lambda D, per, size: D.view(*size, -1)), "Return two tensors"),
        ("flat", _geometry(give=lambda D, per, size: (D, per)), "axes are one"),
        (
            "mean over features",
            _geometry(give=lambda D, per, size: (D.mean(-1).view(size), per.view(size))),
            "averaged over them",
        ),
    ],
    "phase_border": [
        ("no clamp", _border(dropped=lambda i: i), "it is feature 0 that is dropped"),
        ("always 1", _border(dropped=torch.ones_like), "always kept"),
        ("mean square", _border(linear=0), "mean square"),
        (
            "one error",
            _border(both=lambda i: torch.full_like(i, 1 / 6)),
            "add 1/6 for one",
        ),
        ("halved", _border(both=lambda i: (1 + i) / 12), "no further square or half"),
        ("one third", _border(both=lambda i: (1 + i) / 3), "together (1 + I) / 6"),
        ("sparsity", lambda i: 1 - superposition.phase_border(i), "sparsity"),
        ("in place", lambda i: superposition.phase_border(i.clamp_(max=1)), "changes its input"),
    ],
    "decode_sweep": [
        ("with replacement", _decode(active=_active_with_replacement), "*without* replacement"),
        ("one draw for all", _decode(active=_same_active), "draw anew for each row"),
        ("never the last", _decode(active=_first_active), "never active"),
        ("own draws", _decode(shared=False), "share them"),
        ("not divided", _decode(end=lambda total, k: total.mean().item()), "Divide by k"),
        ("divided twice", _decode(end=lambda t, k: t.mean().item() / k**2), "twice"),
        ("sum over draws", _decode(end=lambda t, k: t.sum().item() / k), "sum over draws"),
        (
            "mean over features",
            _decode(over=lambda sq, x: sq.mean(-1), end=lambda t, k: t.mean().item()),
            "mean over features",
        ),
        (
            "mean over features, by k",
            _decode(over=lambda sq, x: sq.mean(-1)),
            "and divided by k too",
        ),
        ("active only", _decode(over=lambda sq, x: (sq * x).sum(-1)), "*all* features"),
        (
            "mean of directions",
            _decode(store=lambda x, U: x @ U / x.sum(1)[:, None]),
            "divided by k",
        ),
        (
            "unit in both",
            _decode(store=lambda x, U: x @ _unit(U), read=lambda h, U: h @ _unit(U).T),
            "as they are",
        ),
        ("unit once", _decode(read=lambda h, U: h @ _unit(U).T), "one of two places"),
        ("transposed", _decode(read=lambda h, U: U @ h.T), ""),
        (
            "a list",
            lambda *a, **k: list(superposition.decode_sweep(*a, **k).values()),
            "dictionary",
        ),
        ("row by row, one axis", _decode_one_axis, "[draw, feature]"),
        ("median", _decode(end=lambda t, k: t.median().item() / k), "median"),
        ("no gain", _decode(gain=lambda e, x, half: 1), "best gain"),
        ("a gain of the test", _decode(gain=lambda e, x, h: _gain(e[h:], x[h:], h)), "on which"),
        ("a gain of all", _decode(gain=lambda e, x, h: _gain(e, x, None)), "on all draws"),
        ("test on all", _decode(test=lambda sq, half: sq), "measured on all draws"),
        ("test on the first half", _decode(test=lambda sq, half: sq[:half]), "on the first half"),
        (
            "a gain for each draw",
            _decode(gain=lambda e, x, h: (e * x).sum(1, True) / e.square().sum(1, True)),
            "own gain",
        ),
    ],
    "groups": [
        ("no loner", [(2, 7), (0, 3, 6)], "kept feature is missing"),
        ("a dropped one", [(5,), (1,), (2, 7), (0, 3, 6)], "dropped stands"),
        ("pairs of a triangle", [(5,), (2, 7), (0, 3), (6,)], "members"),
        ("no pair", [(5,), (2,), (7,), (0, 3, 6)], "hides it"),
        ("loner with the pair", [(5, 2, 7), (0, 3, 6)], "hides it"),
        ("all in one", [(5, 2, 7, 0, 3, 6)], "right angles"),
        ("twice", [(5,), (2, 7), (0, 3), (3, 6)], "two groups"),
        ("twice in one", [(5, 5), (2, 7), (0, 3, 6)], "twice in one group"),
        ("numbers", [5, 2, 7], "list of groups"),
        ("number 8", [(5,), (2, 8), (0, 3, 6)], "0 to 7"),
    ],
}

RIGHT = {
    "train_toys": [("einsum, rate by hand", _toys_by_hand), ("toy by toy", _toys_one_by_one)],
    "settled_at": [("backwards, tensors", _settled_backwards), ("a table", _settled_by_table)],
    "geometry_sweep": [
        ("einsum", _geometry_einsum),
        ("toy by toy", _geometry_loop),
    ],
    "phase_border": [
        ("bisection", _border_bisection),
        ("two cases", _border_cases),
        ("float64", lambda i: superposition.phase_border(i.double())),
    ],
    "decode_sweep": [
        ("topk of random numbers", _decode_top),
        ("row by row", _decode_row_by_row),
        ("one matrix", _decode(store=lambda x, U: x, read=lambda x, U: x @ (U @ U.T))),
    ],
    "groups": [
        ("sets", [{3, 6, 0}, {7, 2}, {5}]),
        ("lists, another order", [[6, 0, 3], [5], [7, 2]]),
        ("a tuple", ((2, 7), (5,), (0, 3, 6))),
    ],
}
