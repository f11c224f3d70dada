"""Lesson 2.1: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from utils.checks import lesson_21
from utils.reading import probes


def _reads(**words):
    """The right answer with other words."""
    return {n: (words.get(n, word), at) for n, (word, at) in lesson_21.COLLECTED.items()}


def _means(answer):
    def mean_difference(x, y):
        return answer(x, y, x[y == 1].mean(0), x[y == 0].mean(0))

    return mean_difference


def _exchange(change):
    """What `change` of vectors, unit, partners and direction gives is added."""

    def exchange_along(resid, direction, positions, partner):
        out, rows = resid.clone(), torch.arange(len(resid))
        here = resid[rows, positions]
        out[rows, positions] += change(here, direction / direction.norm(), partner, direction)
        return out

    return exchange_along


def _along(vectors, unit):
    return (vectors @ unit)[:, None] * unit


def _exchange_in_place(resid, direction, positions, partner):
    resid[:] = probes.exchange_along(resid, direction, positions, partner)
    return resid


def _exchange_assigned(resid, direction, positions, partner):
    resid, rows, unit = resid.clone(), torch.arange(len(resid)), direction / direction.norm()
    resid[rows, positions] = _along(resid[rows, positions][partner], unit)
    return resid


def _exchange_at_own_position(resid, direction, positions, partner):
    out, rows, unit = resid.clone(), torch.arange(len(resid)), direction / direction.norm()
    out[rows, positions] += _along(resid[partner, positions] - resid[rows, positions], unit)
    return out


def _exchange_everywhere(resid, direction, positions, partner):
    unit = direction / direction.norm()
    return resid + ((resid[partner] - resid) @ unit)[..., None] * unit


def _sweep(
    *,
    rows=lambda x, y, out: (x[~out], y[~out], x[out], y[out], out),
    folds=lambda fold: fold.unique(),
    at=lambda layer: layer,
    says=lambda x, direction, bias: x @ direction + bias > 0,
    judged=lambda says, y: (says == (y == 1)).float(),
    anew=False,
    end=lambda right: right,
):
    """A sweep whose parts can be exchanged.

    `rows` gives from a layer's x, y and mask what is fitted, what is tested, and where it goes.
    """

    def layer_sweep(x, y, fold, *, fit):
        right = torch.zeros(x.shape[:2])
        for held in folds(fold):
            out = fold == held
            right = torch.zeros(x.shape[:2]) if anew else right
            for layer in range(len(x)):
                x_fit, y_fit, x_test, y_test, where = rows(x[at(layer)], y, out)
                direction, bias = fit(x_fit, y_fit)
                right[layer, where] = judged(says(x_test, direction, bias), y_test)
        return end(right)

    return layer_sweep


def _sweep_in_place(x, y, fold, *, fit):
    x -= x.mean(1, keepdim=True)
    return probes.layer_sweep(x, y, fold, fit=fit)


def _sweep_of_three(x, y, fold, *, fit):
    return probes.layer_sweep(x[[0, 1, 2]], y, fold, fit=fit)


def _tossed(n, group, generator):
    return torch.randint(2, (n, int(group.max()) + 1), generator=generator)


def _as_long(random, probe):
    return random * (probe.norm() / random.norm(dim=1, keepdim=True))


def _controls(
    *,
    random=lambda n, d, g: torch.randn(n, d, generator=g),
    scaled=_as_long,
    coins=lambda n, group, g: _tossed(n, group, g)[:, group],
    turn=lambda y, coin: torch.where(coin == 1, 1 - y, y),
    fitted=lambda fit, x, y: fit(x, y)[0],
    how_many=lambda n: n,
    end=lambda random, turned: (random, turned),
):
    """Both kinds of directions, from parts that can be exchanged."""

    def control_directions(x, y, group, *, fit, n, generator):
        n = how_many(n)
        drawn = scaled(random(n, x.shape[1], generator), fit(x, y)[0])
        turned = [fitted(fit, x, turn(y, coin)) for coin in coins(n, group, generator)]
        return end(drawn, torch.stack(turned))

    return control_directions


def _controls_with_its_own_fit(x, y, group, *, fit, n, generator):
    return probes.control_directions(
        x, y, group, fit=probes.mean_difference, n=n, generator=generator
    )


def _controls_seeded_within(x, y, group, *, fit, n, generator):
    fresh = torch.Generator()
    fresh.set_state(generator.get_state())
    return probes.control_directions(x, y, group, fit=fit, n=n, generator=fresh)


def _controls_set_back(x, y, group, *, fit, n, generator):
    generator.manual_seed(3)
    return probes.control_directions(x, y, group, fit=fit, n=n, generator=generator)


def _controls_in_place(x, y, group, *, fit, n, generator):
    random, turned = probes.control_directions(x, y, group, fit=fit, n=n, generator=generator)
    y[group == 0] = 1 - y[group == 0]
    return random, turned


def _controls_with_rows_turned(x, y, group, *, fit, n, generator):
    order = torch.randperm(len(y), generator=generator)
    return probes.control_directions(
        x[order], y[order], group[order], fit=fit, n=n, generator=generator
    )


def _truth(
    columns=lambda tau, p: [tau, tau * p],
    table=lambda topic, negated: (topic, negated),
    numbers=lambda labels, negated: (2.0 * labels - 1, 1.0 - 2 * negated),
    end=lambda x, a: tuple(torch.linalg.lstsq(a, x).solution),
):
    """Both directions, from parts that can be exchanged."""

    def truth_directions(x, labels, negated, topics):
        keys = [table(*each) for each in zip(topics, negated.tolist(), strict=True)]
        centred = x.clone()
        for key in set(keys):
            rows = torch.tensor([each == key for each in keys])
            centred[rows] = x[rows] - x[rows].mean(0)
        return end(centred, torch.stack(columns(*numbers(labels, negated)), dim=1))

    return truth_directions


def _truth_raw(x, labels, negated, topics):
    tau, p = 2.0 * labels - 1, 1.0 - 2 * negated
    return tuple(torch.linalg.lstsq(torch.stack([tau, tau * p], 1), x).solution)


def _truth_one_after_the_other(x, labels, negated, topics):
    """The topic's mean first, then the polarity's."""
    x = x.clone()
    for keys in (list(topics), negated.tolist()):
        for key in set(keys):
            rows = torch.tensor([each == key for each in keys])
            x[rows] -= x[rows].mean(0)
    return _truth_raw(x, labels, negated, topics)


def _truth_in_place(x, labels, negated, topics):
    for topic, n in set(zip(topics, negated.tolist(), strict=True)):
        rows = torch.tensor([each == topic for each in topics]) & (negated == n)
        x[rows] -= x[rows].mean(0)
    return _truth_raw(x, labels, negated, topics)


def _truth_of_the_lesson_alone(x, labels, negated, topics):
    centred = x.clone()
    for topic in ("capitals", "cities", "kinds", "opposites"):
        for n in (0, 1):
            rows = torch.tensor([each == topic for each in topics]) & (negated == n)
            if rows.any():
                centred[rows] -= x[rows].mean(0)
    return _truth_raw(centred, labels, negated, topics)


def _truth_halfway(x, labels, negated, topics):
    keys = list(zip(topics, negated.tolist(), strict=True))
    centred = x.clone()
    for key in set(keys):
        rows = torch.tensor([each == key for each in keys])
        yes, no = (x[rows & (labels == label)].mean(0) for label in (1, 0))
        centred[rows] = x[rows] - (yes + no) / 2
    return _truth_raw(centred, labels, negated, topics)


def _truth_by_gaps(x, labels, negated, topics):
    a, b = (
        (x[(labels == 1) & (negated == n)].mean(0) - x[(labels == 0) & (negated == n)].mean(0)) / 2
        for n in (0, 1)
    )
    return (a + b) / 2, (a - b) / 2


def _truth_with_mu_fitted(x, labels, negated, topics):
    keys = list(zip(topics, negated.tolist(), strict=True))
    table = torch.tensor([[each == key for each in keys] for key in sorted(set(keys))]).float()
    tau, p = 2.0 * labels - 1, 1.0 - 2 * negated
    columns = torch.stack([tau, tau * p, *table], dim=1)
    return tuple(torch.linalg.lstsq(columns, x).solution[:2])


def _mlp(
    *,
    standard=lambda x: (x.mean(0), x.std(0)),
    act=torch.relu,
    start=lambda *size, generator: 0.05 * torch.randn(*size, generator=generator),
    loss=lambda scores, y: binary_cross_entropy_with_logits(scores, y.float()),
    zero=True,
    rate=0.003,
    how_many=lambda steps: steps,
    width=lambda hidden: hidden,
    end=lambda scores: lambda rows: scores(rows).detach(),
):
    """A two-layer probe whose parts can be exchanged."""

    def fit_mlp(x, y, *, hidden=32, steps=300, generator):
        mean, scale = standard(x)
        hidden = width(hidden)
        weights = [
            start(x.shape[1], hidden, generator=generator),
            torch.zeros(hidden),
            start(hidden, generator=generator),
            torch.zeros(()),
        ]
        for weight in weights:
            weight.requires_grad_()

        def scores(rows):
            return act((rows - mean) / scale @ weights[0] + weights[1]) @ weights[2] + weights[3]

        optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01)
        for _ in range(how_many(steps)):
            if zero:
                optimizer.zero_grad()
            loss(scores(x), y).backward()
            optimizer.step()
        return end(scores)

    return fit_mlp


def _mlp_standardised_anew(x, y, **settings):
    """Each call by its own rows' mean and standard deviation."""

    def standard(x):
        return (x - x.mean(0)) / x.std(0, unbiased=False).clamp(min=1e-6)

    scores = _mlp(standard=lambda x: (0.0, 1.0))(standard(x), y, **settings)
    return lambda rows: scores(standard(rows))


def _mlp_without_biases(x, y, *, hidden=32, steps=300, generator):
    mean, scale = x.mean(0), x.std(0)
    first = 0.05 * torch.randn(x.shape[1], hidden, generator=generator)
    second = 0.05 * torch.randn(hidden, generator=generator)
    weights = [first.requires_grad_(), second.requires_grad_()]
    optimizer = torch.optim.AdamW(weights, lr=0.003, weight_decay=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        scores = ((x - mean) / scale @ first).relu() @ second
        binary_cross_entropy_with_logits(scores, y.float()).backward()
        optimizer.step()
    return lambda rows: (((rows - mean) / scale @ first).relu() @ second).detach()


def _mlp_of_three_layers(x, y, *, hidden=32, steps=300, generator):
    mean, scale = x.mean(0), x.std(0)
    sizes = [(x.shape[1], hidden), (hidden, hidden), (hidden, 1)]
    weights = [0.05 * torch.randn(*size, generator=generator) for size in sizes]
    weights = [weight.requires_grad_() for weight in weights]
    biases = [torch.zeros(size, requires_grad=True) for _, size in sizes]

    def scores(rows):
        inside = (rows - mean) / scale
        for weight, bias in zip(weights, biases, strict=True):
            inside = (inside if weight is weights[0] else inside.relu()) @ weight + bias
        return inside[:, 0]

    optimizer = torch.optim.AdamW(weights + biases, lr=0.003, weight_decay=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(scores(x), y.float()).backward()
        optimizer.step()
    return lambda rows: scores(rows).detach()


def _mlp_module(init):
    def fit_mlp(x, y, *, hidden=32, steps=300, generator):
        net = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1)
        )
        init(net, generator)
        mean, scale = x.mean(0), x.std(0)
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.003, weight_decay=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = torch.nn.BCEWithLogitsLoss()(net((x - mean) / scale)[:, 0], y.float())
            loss.backward()
            optimizer.step()
        return lambda rows: net((rows - mean) / scale)[:, 0].detach()

    return fit_mlp


def _mlp_in_a_fork(x, y, **settings):
    """With layers that draw from the global generator, which is put back, and drawn anew."""

    def init(net, generator):
        for weight in net.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.05, generator=generator)
            else:
                torch.nn.init.zeros_(weight)

    with torch.random.fork_rng():
        return _mlp_module(init)(x, y, **settings)


def _mlp_in_place(x, y, **settings):
    x -= x.mean(0)
    return probes.fit_mlp(x, y, **settings)


def _direction_and_bias(yes, no):
    return yes - no, -(yes + no) @ (yes - no) / 2


def _exchange_in_turn(resid, direction, positions, partner):
    out, unit = resid.clone(), direction / direction.norm()
    for row in range(len(resid)):
        other = partner[row]
        own, theirs = out[row, positions[row]], out[other, positions[other]]
        out[row, positions[row]] = own + (theirs - own) @ unit * unit
    return out


def _exchange_vectors(resid, direction, positions, partner):
    rows = torch.arange(len(resid))
    return probes.exchange_along(resid, direction, positions, partner)[rows, positions]


# Right answers in other styles.


def _means_by_rows(x, y):
    sums = {0: torch.zeros(x.shape[1]), 1: torch.zeros(x.shape[1])}
    for row, label in zip(x, y.tolist(), strict=True):
        sums[label] = sums[label] + row / sum(y.tolist().count(one) for one in [label])
    return list(_direction_and_bias(sums[1], sums[0]))


def _means_by_product(x, y):
    y = y.float()
    direction = (y / y.sum() - (1 - y) / (1 - y).sum()) @ x
    middle = (y / y.sum() + (1 - y) / (1 - y).sum()) @ x / 2
    return direction, -(middle @ direction).item()


def _means_by_numpy(x, y):
    yes, no = (x.numpy()[y.numpy() == label].mean(0) for label in (1, 0))
    return torch.from_numpy(yes - no), float(-(yes + no) @ (yes - no) / 2)


def _sweep_layers_first(x, y, fold, *, fit):
    rows = []
    for layer in x:
        right = torch.empty(len(y))
        for held in set(fold.tolist()):
            train = [i for i, each in enumerate(fold.tolist()) if each != held]
            test = [i for i, each in enumerate(fold.tolist()) if each == held]
            direction, bias = fit(layer[train], y[train])
            for i in test:
                score = float(layer[i] @ direction) + float(bias)
                right[i] = float((score > 0) == bool(y[i]))
        rows.append(right)
    return torch.stack(rows)


def _sweep_of_products(x, y, fold, *, fit):
    right = torch.zeros(len(x), len(y))
    for held in fold.unique():
        train, test = (fold != held).nonzero()[:, 0], (fold == held).nonzero()[:, 0]
        found = [fit(each[train], y[train]) for each in x]
        directions = torch.stack([direction for direction, _ in found])
        biases = torch.tensor([float(bias) for _, bias in found])
        scores = torch.einsum("lnd,ld->ln", x[:, test], directions) + biases[:, None]
        right[:, test] = torch.where(scores > 0, y[test], 1 - y[test]).float()
    return right


def _controls_by_ones(x, y, group, *, fit, n, generator):
    """Loops, turned labels first, and a coin of a float."""
    turned, random = torch.empty(n, x.shape[1]), []
    for i in range(n):
        labels = y.clone()
        for number in group.unique().tolist():
            if torch.rand((), generator=generator) < 0.5:
                labels[group == number] = 1 - labels[group == number]
        turned[i] = fit(x, labels)[0]
    length = torch.linalg.vector_norm(fit(x, y)[0])
    for _ in range(n):
        random.append(
            length
            * torch.nn.functional.normalize(
                torch.empty_like(x[0]).normal_(generator=generator), dim=0
            )
        )
    return [torch.stack(random), turned]


def _controls_by_xor(x, y, group, *, fit, n, generator):
    """Labels exclusive-or coins, and permuted coins of half the groups."""
    n_groups = int(group.max()) + 1
    fair = torch.arange(n_groups) % 2
    turned = [
        fit(x, y ^ fair[torch.randperm(n_groups, generator=generator)][group])[0] for _ in range(n)
    ]
    return _as_long(torch.randn(n, x.shape[1], generator=generator), fit(x, y)[0]), torch.stack(
        turned
    )


def _truth_by_polarity(x, labels, negated, topics):
    """The probes of the two polarities, and their half sum and half difference."""
    centred = torch.empty_like(x)
    for i, (topic, n) in enumerate(zip(topics, negated.tolist(), strict=True)):
        table = [
            j
            for j, (t, m) in enumerate(zip(topics, negated.tolist(), strict=True))
            if (t, m) == (topic, n)
        ]
        centred[i] = x[i] - x[table].mean(0)
    tau = 2.0 * labels - 1
    own = [(tau[negated == n, None] * centred[negated == n]).mean(0) for n in (0, 1)]
    return [(own[0] + own[1]) / 2, (own[0] - own[1]) / 2]


def _truth_by_numpy(x, labels, negated, topics):
    names = [f"{topic}/{n}" for topic, n in zip(topics, negated.tolist(), strict=True)]
    one_hot = np.array([[a == b for b in sorted(set(names))] for a in names], dtype=float)
    tau, p = 2.0 * labels.numpy() - 1, 1.0 - 2 * negated.numpy()
    centred = x.numpy() - one_hot @ (one_hot.T @ x.numpy() / one_hot.sum(0)[:, None])
    found = np.linalg.lstsq(np.stack([tau, tau * p], 1), centred, rcond=None)[0]
    return torch.from_numpy(found).float().unbind()


def _truth_by_normal_equations(x, labels, negated, topics):
    tau = torch.where(labels == 1, 1.0, -1.0)
    a = torch.stack([tau, tau * torch.where(negated == 1, -1.0, 1.0)], dim=1)
    same = torch.tensor([[s == t for t in topics] for s in topics])
    same = (same & (negated[:, None] == negated)).float()
    centred = x - same @ x / same.sum(1, keepdim=True)
    return torch.linalg.solve(a.T @ a, a.T @ centred)


@torch.enable_grad()
def _mlp_by_hand(x, y, *, hidden=32, steps=300, generator):
    """With a column of ones for the biases, AdamW's steps written out."""
    mean, scale = x.mean(0), x.std(0)

    def ones(rows):
        return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)

    first = torch.randn(x.shape[1] + 1, hidden, generator=generator) * 0.05
    second = torch.randn(hidden + 1, generator=generator) * 0.05
    first[-1], second[-1] = 0, 0
    weights = [first, second]
    moments = [[torch.zeros_like(w), torch.zeros_like(w)] for w in weights]

    def scores(rows):
        return ones((ones((rows - mean) / scale) @ weights[0]).clamp(min=0)) @ weights[1]

    for step in range(1, steps + 1):
        weights[:] = [w.detach().requires_grad_() for w in weights]
        p = torch.sigmoid(scores(x)).clamp(1e-7, 1 - 1e-7)
        loss = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
        slopes = torch.autograd.grad(loss, weights)
        for i, slope in enumerate(slopes):
            a, b = moments[i]
            a.mul_(0.9).add_(0.1 * slope)
            b.mul_(0.999).add_(0.001 * slope**2)
            change = a / (1 - 0.9**step) / ((b / (1 - 0.999**step)).sqrt() + 1e-8)
            weights[i] = weights[i].detach() * (1 - 0.003 * 0.01) - 0.003 * change
    return lambda rows: scores(rows)


def _mlp_of_parameters(x, y, *, hidden=32, steps=300, generator):
    mean, scale = x.mean(0, keepdim=True), x.std(0, correction=0, keepdim=True)
    net = torch.nn.ParameterDict(
        {
            "a": torch.empty(hidden, x.shape[1]).normal_(0, 0.05, generator=generator),
            "b": torch.zeros(hidden),
            "c": torch.empty(1, hidden).normal_(0, 0.05, generator=generator),
            "d": torch.zeros(1),
        }
    )

    def scores(rows):
        inside = torch.nn.functional.linear((rows - mean) / scale, net["a"], net["b"])
        return torch.nn.functional.linear(torch.relu(inside), net["c"], net["d"]).squeeze(1)

    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    for _ in range(steps):
        loss = binary_cross_entropy_with_logits(scores(x), y.to(x))
        net.zero_grad()
        loss.backward()
        optimizer.step()

    def final(rows):
        with torch.no_grad():
            return scores(rows)

    return final


def _exchange_by_rows(resid, direction, positions, partner):
    out, u = resid.detach().clone(), direction / direction.pow(2).sum().sqrt()
    for row, (at, other) in enumerate(zip(positions.tolist(), partner.tolist(), strict=True)):
        theirs = resid[other, positions[other]]
        out[row, at] = resid[row, at] - (resid[row, at] @ u) * u + (theirs @ u) * u
    return out


def _exchange_by_projection(resid, direction, positions, partner):
    projector = torch.outer(direction, direction) / (direction @ direction)
    here = resid[torch.arange(len(resid)), positions]
    chosen = torch.arange(resid.shape[1]) == positions[:, None]
    change = torch.einsum("bd,de->be", here[partner] - here, projector)
    return torch.where(chosen[..., None], resid + change[:, None], resid)


RIGHT = {
    "mean_difference": [
        ("loop, a list", _means_by_rows),
        ("a product, the bias a float", _means_by_product),
        ("numpy", _means_by_numpy),
    ],
    "layer_sweep": [
        ("layers first, lists of rows", _sweep_layers_first),
        ("all layers in a product", _sweep_of_products),
        ("parts", _sweep()),
    ],
    "control_directions": [
        ("one after another, a list", _controls_by_ones),
        ("exclusive or", _controls_by_xor),
        ("from parts", _controls()),
    ],
    "truth_directions": [
        ("half sum and half difference", _truth_by_polarity),
        ("numpy", _truth_by_numpy),
        ("normal equations, one tensor", _truth_by_normal_equations),
    ],
    "reads": [
        ("another order", {"R": ("answer", 0.87), "P": ("continent", 0.28), "Q": ("not", 0)}),
        ("lists, rounded", {"P": ["continent", 0.3], "Q": ["not", 0.01], "R": ["answer", 0.88]}),
        ("tensors", {n: (w, torch.tensor(v)) for n, (w, v) in lesson_21.COLLECTED.items()}),
    ],
    "fit_mlp": [
        ("by hand", _mlp_by_hand),
        ("parameters", _mlp_of_parameters),
        ("parts", _mlp()),
        ("modules in a fork", _mlp_in_a_fork),
    ],
    "exchange_along": [("loop", _exchange_by_rows), ("projection", _exchange_by_projection)],
}

MISTAKES = {
    "mean_difference": [
        ("no bias", _means(lambda x, y, a, b: (a - b, 0.0)), "bias is missing"),
        ("sign of the bias", _means(lambda x, y, a, b: (a - b, (a + b) @ (a - b) / 2)), "The sign"),
        ("bias twice", _means(lambda x, y, a, b: (a - b, -(a + b) @ (a - b))), "twice too large"),
        (
            "mean of all rows",
            _means(lambda x, y, a, b: (a - b, -x.mean(0) @ (a - b))),
            "mean of all rows",
        ),
        (
            "turned round",
            _means(lambda x, y, a, b: (b - a, (a + b) @ (a - b) / 2)),
            "from true to false",
        ),
        (
            "unit length",
            _means(lambda x, y, a, b: ((d := (a - b) / (a - b).norm()), -(a + b) @ d / 2)),
            "length 1",
        ),
        ("true rows alone", _means(lambda x, y, a, b: (a, -(a + b) @ a / 2)), "alone"),
        ("one thing", _means(lambda x, y, a, b: a - b), "two things"),
        ("abs", _means(lambda x, y, a, b: ((a - b).abs(), -(a + b) @ (a - b) / 2)), "signs"),
        ("sums", _means(lambda x, y, a, b: (x[y == 1].sum(0) - x[y == 0].sum(0), 0.0)), "sums"),
        (
            "labels as indices",
            _means(lambda x, y, a, b: ((d := x[y].mean(0) - x[1 - y].mean(0)), -x.mean(0) @ d)),
            "again and again",
        ),
        (
            "labels as indices, turned",
            _means(lambda x, y, a, b: ((d := x[y].mean(0) - x[~y].mean(0)), -x.mean(0) @ d)),
            "again and again",
        ),
        (
            "all rows' mean",
            _means(lambda x, y, a, b: (a - x.mean(0), -(a + b) @ (a - b) / 2)),
            "mean of *all*",
        ),
        (
            "squeezed",
            lambda x, y: _direction_and_bias(
                x[y == 1].squeeze().mean(0), x[y == 0].squeeze().mean(0)
            ),
            "single row",
        ),
        (
            "in place",
            lambda x, y: probes.mean_difference(x.sub_(x.mean(0)), y),
            "its input `x`",
        ),
        ("no product", _means(lambda x, y, a, b: (a - b, -(a + b) / 2)), "single number"),
    ],
    "layer_sweep": [
        (
            "mask turned",
            _sweep(rows=lambda x, y, out: (x[out], y[out], x[~out], y[~out], ~out)),
            "turn the mask round",
        ),
        (
            "tested on what was fitted",
            _sweep(rows=lambda x, y, out: (x[~out], y[~out], x[~out], y[~out], ~out)),
            "that it was fitted to",
        ),
        (
            "fitted to all",
            _sweep(rows=lambda x, y, out: (x, y, x[out], y[out], out)),
            "fitted to all rows",
        ),
        (
            "labels not selected",
            _sweep(rows=lambda x, y, out: (x[~out], y, x[out], y[out], out)),
            "one each",
        ),
        ("no bias", _sweep(says=lambda x, d, b: x @ d > 0), "bias is missing"),
        ("bias taken away", _sweep(says=lambda x, d, b: x @ d - b > 0), "wrong sign"),
        ("layer 0", _sweep(at=lambda layer: 0), "probe of layer 0"),
        ("last layer", _sweep(at=lambda layer: -1), "probe of the last layer"),
        ("folds 0 to 4", _sweep(folds=lambda fold: range(5)), "any numbers"),
        ("folds counted", _sweep(folds=lambda fold: range(len(fold.unique()))), "any numbers"),
        ("without the last", _sweep(folds=lambda fold: fold.unique()[:-1]), "was left out"),
        ("without the first", _sweep(folds=lambda fold: fold.unique()[1:]), "should be"),
        ("one fold", _sweep(folds=lambda fold: fold.unique()[:1]), "hold out each in turn"),
        ("anew in each fold", _sweep(anew=True), "anew in each fold"),
        ("says 1", _sweep(judged=lambda says, y: says.float()), "what it says with the label"),
        ("wrong ones", _sweep(judged=lambda says, y: (says != (y == 1)).float()), "is wrong"),
        (
            "scores",
            _sweep(says=lambda x, d, b: x @ d + b, judged=lambda scores, y: scores),
            "Those are the scores",
        ),
        ("above a half", _sweep(says=lambda x, d, b: x @ d + b > 0.5), "no probabilities"),
        ("swapped axes", _sweep(end=lambda right: right.T), "axes are swapped"),
        ("accuracy", _sweep(end=lambda right: right.mean(1)), "accuracy at each layer"),
        ("one accuracy", _sweep(end=lambda right: right.mean()), "should have shape"),
        ("True and False", _sweep(end=lambda right: right == 1), "`.float()`"),
        ("whole numbers", _sweep(end=lambda right: right.long()), "`.float()`"),
        ("a list", _sweep(end=lambda right: right.tolist()), "should be a tensor"),
        ("in place", _sweep_in_place, "its input `x`"),
        ("for three layers", _sweep_of_three, "out of"),
        (
            "a fit of its own",
            lambda x, y, fold, *, fit: probes.layer_sweep(x, y, fold, fit=probes.mean_difference),
            "`fit` was not called",
        ),
    ],
    "control_directions": [
        (
            "labels shuffled by row",
            _controls(
                coins=lambda n, group, g: [torch.randperm(len(group), generator=g)] * n,
                turn=lambda y, order: y[order],
            ),
            "torn apart",
        ),
        (
            "a coin for each row",
            _controls(coins=lambda n, group, g: torch.randint(2, (n, len(group)), generator=g)),
            "torn apart",
        ),
        ("nothing turned", _controls(turn=lambda y, coin: y), "other labels than `y`"),
        ("all turned", _controls(turn=lambda y, coin: 1 - y), "All turned labels are the same"),
        (
            "tossed once",
            _controls(coins=lambda n, group, g: _tossed(1, group, g)[:, group].expand(n, -1)),
            "toss the coins anew",
        ),
        (
            "all or nothing",
            _controls(
                coins=lambda n, group, g: torch.randint(2, (n, 1), generator=g).expand(
                    n, len(group)
                )
            ),
            "All turned labels are the same",
        ),
        (
            "one group a time",
            _controls(
                coins=lambda n, group, g: torch.stack([group == i % 8 for i in range(n)]).long()
            ),
            "not fair",
        ),
        (
            "the last group left out",
            _controls(
                coins=lambda n, group, g: torch.cat(
                    [_tossed(n, group - 1, g), torch.zeros(n, 1, dtype=torch.long)], 1
                )[:, group]
            ),
            "not fair",
        ),
        (
            "two coins for all groups",
            _controls(
                coins=lambda n, group, g: torch.randint(2, (n, 2), generator=g)[:, group % 2]
            ),
            "one coin between them",
        ),
        (
            "a coin that is not fair",
            _controls(
                coins=lambda n, group, g: (
                    torch.rand(n, int(group.max()) + 1, generator=g) < 0.2
                ).long()[:, group]
            ),
            "not fair",
        ),
        ("one too many", _controls(how_many=lambda n: n + 1), "two tensors"),
        ("swapped", _controls(end=lambda random, turned: (turned, random)), "swapped"),
        ("one thing", _controls(end=lambda random, turned: turned), "two tensors"),
        ("lists", _controls(end=lambda r, t: (r.tolist(), t.tolist())), "two tensors"),
        (
            "of length 1",
            _controls(scaled=lambda random, probe: random / random.norm(dim=1, keepdim=True)),
            "have length 1",
        ),
        ("not scaled", _controls(scaled=lambda random, probe: random), "its own norm"),
        (
            "times the length",
            _controls(scaled=lambda random, probe: random * probe.norm()),
            "its own norm",
        ),
        (
            "one norm for all",
            _controls(scaled=lambda random, probe: random * probe.norm() / random.norm()),
            "its own norm",
        ),
        (
            "uniform",
            _controls(random=lambda n, d, g: torch.rand(n, d, generator=g)),
            "to one side",
        ),
        (
            "as the rows vary",
            _controls(
                random=lambda n, d, g: (
                    torch.randn(n, d, generator=g) * torch.tensor([30.0, 1, 1, 1, 1])
                )
            ),
            "favour some coordinate",
        ),
        (
            "one for all",
            _controls(random=lambda n, d, g: torch.randn(1, d, generator=g).expand(n, -1)),
            "are the same",
        ),
        (
            "the global generator",
            _controls(random=lambda n, d, g: torch.randn(n, d)),
            "*global* generator",
        ),
        (
            "coins of the global generator",
            _controls(coins=lambda n, group, g: _tossed(n, group, None)[:, group]),
            "*global* generator",
        ),
        ("a copy of the generator", _controls_seeded_within, "Used again"),
        ("a seed of its own", _controls_set_back, "Every generator gives the same"),
        ("no fit", _controls_with_its_own_fit, "`fit` was not called"),
        ("in place", _controls_in_place, "its input `y`"),
        ("rows shuffled too", _controls_with_rows_turned, "other rows than `x`"),
        (
            "the other way",
            _controls(fitted=lambda fit, x, y: -fit(x, y)[0]),
            "point the other way",
        ),
        (
            "units",
            _controls(fitted=lambda fit, x, y: torch.nn.functional.normalize(fit(x, y)[0], dim=0)),
            "as it is",
        ),
    ],
    "truth_directions": [
        ("swapped", _truth(columns=lambda tau, p: [tau * p, tau]), "swapped"),
        (
            "sign of p",
            _truth(numbers=lambda y, negated: (2.0 * y - 1, 2.0 * negated - 1)),
            "t_P has the wrong sign",
        ),
        ("no mu", _truth_raw, "mu is not subtracted"),
        ("one mean", _truth(table=lambda topic, negated: 0), "one mean of all rows"),
        ("by topic", _truth(table=lambda topic, negated: topic), "you took the topic"),
        ("by polarity", _truth(table=lambda topic, negated: negated), "you took the polarity"),
        ("one after the other", _truth_one_after_the_other, "that share *both*"),
        (
            "tau 1 and 0",
            _truth(numbers=lambda y, negated: (1.0 * y, 1.0 - 2 * negated)),
            "tau must be 1 and -1",
        ),
        (
            "p 0 and 1",
            _truth(numbers=lambda y, negated: (2.0 * y - 1, 1.0 * negated)),
            "you used `negated`",
        ),
        (
            "p 1 and 0",
            _truth(numbers=lambda y, negated: (2.0 * y - 1, 1.0 - negated)),
            "you used 1 and 0",
        ),
        ("p alone", _truth(columns=lambda tau, p: [tau, p]), "is tau * p"),
        (
            "one at a time",
            _truth(end=lambda x, a: tuple(a.T @ x / len(x))),
            "fitted alone",
        ),
        ("sums", _truth(end=lambda x, a: tuple(a.T @ x)), "not fitted"),
        (
            "units",
            _truth(
                end=lambda x, a: tuple(
                    torch.nn.functional.normalize(torch.linalg.lstsq(a, x).solution)
                )
            ),
            "length 1",
        ),
        (
            "the two polarities' probes",
            _truth(columns=lambda tau, p: [tau * (1 + p) / 2, tau * (1 - p) / 2]),
            "half sum",
        ),
        (
            "differences of means",
            _truth(end=lambda x, a: tuple(2 * torch.linalg.lstsq(a, x).solution)),
            "twice too long",
        ),
        ("in place", _truth_in_place, "its input `x`"),
        ("mu halfway", _truth_halfway, "not halfway"),
        ("half the differences of means", _truth_by_gaps, "least squares gives something else"),
        ("mu fitted", _truth_with_mu_fitted, "subtract the means of the rows first"),
        (
            "a constant",
            _truth(
                end=lambda x, a: tuple(
                    torch.linalg.lstsq(torch.cat([a, torch.ones(len(a), 1)], 1), x).solution[:2]
                )
            ),
            "A constant was fitted too",
        ),
        ("the lesson's topics", _truth_of_the_lesson_alone, "mu is not subtracted"),
        ("t_G alone", _truth(end=lambda x, a: torch.linalg.lstsq(a, x).solution[0]), "two dir"),
        (
            "a column a direction",
            _truth(end=lambda x, a: torch.linalg.lstsq(a, x).solution.T),
            "two directions",
        ),
        (
            "lists",
            _truth(end=lambda x, a: torch.linalg.lstsq(a, x).solution.tolist()),
            "as tensors",
        ),
        (
            "lstsq itself",
            _truth(end=lambda x, a: torch.linalg.lstsq(a, x)),
            "two directions",
        ),
    ],
    "reads": [
        ("all honest", _reads(P="answer", Q="answer"), "1 of 3"),
        ("one leak missed", _reads(P="alphabet"), "2 of 3"),
        ("the honest one accused", _reads(R="alphabet"), "2 of 3"),
        ("swapped", _reads(P="not", Q="continent"), "1 of 3"),
        ("another word", _reads(P="Asia"), "none of the properties"),
        ("a blank in it", _reads(R=...), "none of the properties"),
        ("no control", _reads() | {"P": ("continent", 0.5)}, "P: the accuracy"),
        ("rows kept", _reads() | {"R": ("answer", 0.9)}, "rows *kept*"),
        ("twins of R seen", _reads() | {"R": ("answer", 0.84)}, "twins"),
        ("twins seen", _reads() | {"P": ("continent", lesson_21.SEEN["P"])}, "twins"),
        ("words alone", {"P": "continent", "Q": "not", "R": "answer"}, "a dictionary"),
        ("a list", ["continent", "not", "answer"], "a dictionary"),
        ("one name missing", {"P": ("continent", 0.28), "Q": ("not", 0.0)}, "a dictionary"),
        ("lower case", {n.lower(): v for n, v in _reads().items()}, "a dictionary"),
    ],
    "fit_mlp": [
        ("no ReLU", _mlp(act=lambda inside: inside), "ReLU"),
        ("no zero_grad", _mlp(zero=False), "add up"),
        ("one step", _mlp(how_many=lambda steps: 1), "take a step each time"),
        ("no steps", _mlp(how_many=lambda steps: 0), "right about"),
        ("300 steps whatever `steps`", _mlp(how_many=lambda steps: 300), "take `steps` steps"),
        ("32 ReLUs whatever `hidden`", _mlp(width=lambda hidden: 32), "use `hidden`"),
        ("not standardised", _mlp(standard=lambda x: (0.0, 1.0)), "tandardise"),
        ("not centred", _mlp(standard=lambda x: (0.0, x.std(0))), "tandardise"),
        ("not scaled", _mlp(standard=lambda x: (x.mean(0), 1.0)), "tandardise"),
        ("one mean of all", _mlp(standard=lambda x: (x.mean(), x.std())), "tandardise"),
        ("standardised anew", _mlp_standardised_anew, "scored alone"),
        (
            "labels turned round",
            _mlp(loss=lambda s, y: binary_cross_entropy_with_logits(s, 1.0 - y)),
            "says the opposite",
        ),
        (
            "up the slope",
            _mlp(loss=lambda s, y: -binary_cross_entropy_with_logits(s, 1.0 * y)),
            "right about",
        ),
        (
            "a sigmoid at the end",
            _mlp(end=lambda scores: lambda rows: scores(rows).detach().sigmoid()),
            "before any sigmoid",
        ),
        (
            "a yes or no",
            _mlp(end=lambda scores: lambda rows: (scores(rows) > 0).float()),
            "No score is below 0",
        ),
        ("not detached", _mlp(end=lambda scores: scores), "Detach"),
        (
            "a column",
            _mlp(end=lambda scores: lambda rows: scores(rows).detach()[:, None]),
            "should be [40]",
        ),
        (
            "the scores",
            lambda x, y, **settings: probes.fit_mlp(x, y, **settings)(x),
            "a function",
        ),
        (
            "zeros",
            _mlp(start=lambda *size, generator: torch.zeros(size)),
            "right about",
        ),
        (
            "starts large",
            _mlp(start=lambda *size, generator: torch.randn(*size, generator=generator)),
            "start small",
        ),
        ("a high rate", _mlp(rate=0.3), "learning rate"),
        ("a rate of 0.01", _mlp(rate=0.01), "lower than it should be"),
        ("GELU", _mlp(act=torch.nn.functional.gelu), "a ReLU between"),
        ("tanh", _mlp(act=torch.tanh), "a ReLU between"),
        ("twice as many", _mlp(width=lambda hidden: 2 * hidden), "`hidden`"),
        ("three layers", _mlp_of_three_layers, "two layers"),
        ("no biases", _mlp_without_biases, "bias"),
        ("a rate of 0.001", _mlp(rate=0.001), "learning rate"),
        (
            "squares",
            _mlp(loss=lambda scores, y: ((scores.sigmoid() - y) ** 2).mean()),
            "the binary cross-entropy",
        ),
        (
            "starts between 0 and 0.05",
            _mlp(start=lambda *size, generator: 0.05 * torch.rand(*size, generator=generator)),
            "`torch.randn`",
        ),
        (
            "a seed of its own",
            _mlp(
                start=lambda *size, generator: (
                    0.05 * torch.randn(*size, generator=torch.Generator().manual_seed(1))
                )
            ),
            "Every generator",
        ),
        ("no generator", _mlp_module(lambda net, generator: None), "*global* generator"),
        ("in place", _mlp_in_place, "its input `x`"),
    ],
    "exchange_along": [
        ("not divided", _exchange(lambda h, u, p, d: _along(h[p] - h, d)), "own length"),
        ("divided once", _exchange(lambda h, u, p, d: ((h[p] - h) @ u)[:, None] * d), "twice"),
        ("complete", _exchange(lambda h, u, p, d: h[p] - h), "complete vector"),
        (
            "complement",
            _exchange(lambda h, u, p, d: h[p] - h - _along(h[p] - h, u)),
            "Everything *but*",
        ),
        ("own left in", _exchange(lambda h, u, p, d: _along(h[p], u)), "was left in"),
        ("wrong sign", _exchange(lambda h, u, p, d: _along(h - h[p], u)), "wrong sign"),
        (
            "gives",
            _exchange(lambda h, u, p, d: _along(h[p.argsort()] - h, u)),
            "not give it away",
        ),
        ("assigned", _exchange_assigned, "rest of the vector is gone"),
        ("own position", _exchange_at_own_position, "partner's own"),
        ("everywhere", _exchange_everywhere, "Every position"),
        ("in place", _exchange_in_place, "its input `resid`"),
        ("one after another", _exchange_in_turn, "had *become*"),
        (
            "row 0's change",
            _exchange(lambda h, u, p, d: _along(h[p] - h, u)[:1].expand(len(h), -1)),
            "first row's change",
        ),
        ("removed alone", _exchange(lambda h, u, p, d: -_along(h, u)), "was not put in"),
        (
            "absolute",
            _exchange(lambda h, u, p, d: ((h[p] - h) @ u).abs()[:, None] * u),
            "should be",
        ),
        ("vectors alone", _exchange_vectors, "the whole stream"),
        ("nothing", lambda resid, *rest: resid.clone(), "Nothing"),
    ],
}
