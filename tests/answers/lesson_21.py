"""Lesson 2.1: the library's version of each exercise, and plausible wrong answers."""

import torch

from utils import stats
from utils.reading import probes, unsupervised


def _token(pick):
    def last_token(resid, lengths, *, back=0):
        return pick(resid, lengths, torch.arange(len(resid)), back)

    return last_token


def _split(mask):
    def split_by_group(groups, *, test, generator):
        return mask(groups, list(dict.fromkeys(groups)), test, generator)

    return split_by_group


def _whole(chosen, groups):
    return torch.tensor([group in chosen for group in groups])


def _some(names, count, generator):
    order = torch.randperm(len(names), generator=generator)
    return {names[i] for i in order[:count]}


def _means(answer):
    def mean_difference(x, y):
        return answer(x, y, x[y == 1].mean(0), x[y == 0].mean(0))

    return mean_difference


def _coins(toss):
    def control_labels(types, *, generator):
        return toss(types, list(dict.fromkeys(types)), generator)

    return control_labels


def _looked_up(coins, names, types):
    coin = dict(zip(names, coins.tolist(), strict=True))
    return torch.tensor([coin[each] for each in types])


def _auc(compare):
    def auc(scores, labels):
        return compare(scores[labels == 1], scores[labels == 0], scores, labels)

    return auc


def _ccs(terms):
    def ccs_loss(p_first, p_second):
        return terms(p_first, p_second)

    return ccs_loss


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


def _split_salted(groups, *, test, generator):
    names = list(set(groups))
    order = torch.randperm(len(names), generator=generator)
    return _whole({names[i] for i in order[: round(test * len(names))]}, groups)


def _split_global(groups, *, test, generator):
    torch.manual_seed(generator.initial_seed())
    names = list(dict.fromkeys(groups))
    return _whole(_some(names, round(test * len(names)), None), groups)


def _coins_salted(types, *, generator):
    names = sorted(set(types), key=hash)
    coins = torch.randint(2, (len(names),), generator=generator)
    return _looked_up(coins, names, types)


def _coins_global(types, *, generator):
    torch.manual_seed(generator.initial_seed())
    names = list(dict.fromkeys(types))
    return _looked_up(torch.randint(2, (len(names),)), names, types)


def _ranked(scores, labels):
    """Mann and Whitney's sum of ranks, without a thought for ties."""
    ranks = scores.argsort(stable=True).argsort().double() + 1
    yes, no = (labels == 1).sum(), (labels == 0).sum()
    return (ranks[labels == 1].sum() - yes * (yes + 1) / 2) / (yes * no)


MISTAKES = {
    "last_token": [
        ("padding", _token(lambda r, n, rows, back: r[:, -1 - back]), "is padding"),
        ("off by one", _token(lambda r, n, rows, back: r[rows, n]), "Off by one"),
        ("too early", _token(lambda r, n, rows, back: r[rows, n - 2]), "too early"),
        ("BOS", _token(lambda r, n, rows, back: r[:, 0]), "BOS"),
        ("mixed", _token(lambda r, n, rows, back: r[:, n - 1 - back]), "*all* rows"),
        ("left padding", _token(lambda r, n, rows, back: r[rows, r.shape[1] - n]), "on the left"),
        ("mean", _token(lambda r, n, rows, back: r.mean(1)), "padding too"),
        ("no back", _token(lambda r, n, rows, back: r[rows, n - 1]), "not used"),
        (
            "back to the right",
            _token(lambda r, n, rows, back: r[rows, n - 1 + back]),
            "into the padding",
        ),
    ],
    "split_by_group": [
        (
            "by row",
            _split(lambda g, names, test, gen: torch.rand(len(g), generator=gen) < test),
            "both sides",
        ),
        (
            "training set",
            _split(lambda g, n, test, gen: ~_whole(_some(n, round(test * len(n)), gen), g)),
            "training set",
        ),
        (
            "share of rows",
            _split(lambda g, n, test, gen: _whole(_some(n, round(test * len(g)) // 3, gen), g)),
            "counts groups",
        ),
        (
            "not shuffled",
            _split(lambda g, n, test, gen: _whole(set(n[: round(test * len(n))]), g)),
            "Every generator",
        ),
        (
            "no generator",
            _split(lambda g, n, test, gen: _whole(_some(n, round(test * len(n)), None), g)),
            "*global* generator",
        ),
        ("set order", _split_salted, "other hashes"),
        ("global seed", _split_global, "*global* generator"),
        (
            "a mask of groups",
            _split(lambda g, n, test, gen: torch.rand(len(n), generator=gen) < test),
            "not for each group",
        ),
        (
            "rounded down",
            _split(lambda g, n, test, gen: _whole(_some(n, int(test * len(n)), gen), g)),
            "*rounded*",
        ),
        ("indices", _split(lambda g, n, test, gen: torch.arange(3)), "True and False"),
    ],
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
        ("no product", _means(lambda x, y, a, b: (a - b, -(a + b) / 2)), "single number"),
    ],
    "control_labels": [
        (
            "a coin a row",
            _coins(lambda t, n, gen: torch.randint(2, (len(t),), generator=gen)),
            "not for each row",
        ),
        (
            "not looked up",
            _coins(lambda t, n, gen: torch.randint(2, (len(n),), generator=gen)),
            "look each row",
        ),
        ("all alike", _coins(lambda t, n, gen: torch.zeros(len(t), dtype=int)), "one label"),
        (
            "by the name",
            _coins(lambda t, n, gen: torch.tensor([int(each[1:]) % 2 for each in t])),
            "Every generator gives the same",
        ),
        (
            "no generator",
            _coins(lambda t, n, gen: _looked_up(torch.randint(2, (len(n),)), n, t)),
            "*global* generator",
        ),
        ("hash order", _coins_salted, "other hashes"),
        ("global seed", _coins_global, "*global* generator"),
        (
            "three labels",
            _coins(lambda t, n, gen: _looked_up(torch.randint(3, (len(n),), generator=gen), n, t)),
            "0 or 1",
        ),
    ],
    "auc": [
        ("ties lost", _auc(lambda a, b, s, y: (a[:, None] > b).float().mean()), "count nothing"),
        ("ties won", _auc(lambda a, b, s, y: (a[:, None] >= b).float().mean()), "in full"),
        ("swapped", _auc(lambda a, b, s, y: stats.auc(-s, y)), "swapped"),
        (
            "accuracy",
            _auc(lambda a, b, s, y: ((s > 0) == (y == 1)).float().mean()),
            "threshold at 0",
        ),
        (
            "count",
            _auc(lambda a, b, s, y: ((a[:, None] > b) + 0.5 * (a[:, None] == b)).sum()),
            "divide",
        ),
        ("means", _auc(lambda a, b, s, y: a.mean() - b.mean()), "Only the order"),
        ("ranks", _ranked, "a tie"),
    ],
    "ccs_loss": [
        ("consistency", _ccs(lambda p, q: ((p - (1 - q)) ** 2).mean()), "Consistency alone"),
        ("confidence", _ccs(lambda p, q: (torch.minimum(p, q) ** 2).mean()), "Confidence alone"),
        (
            "equal",
            _ccs(lambda p, q: ((p - q) ** 2 + torch.minimum(p, q) ** 2).mean()),
            "not be equal",
        ),
        (
            "larger",
            _ccs(lambda p, q: ((p - (1 - q)) ** 2 + torch.maximum(p, q) ** 2).mean()),
            "larger one",
        ),
        (
            "not squared",
            _ccs(lambda p, q: ((p - (1 - q)) ** 2 + torch.minimum(p, q)).mean()),
            "not squared",
        ),
        (
            "sum",
            _ccs(lambda p, q: ((p - (1 - q)) ** 2 + torch.minimum(p, q) ** 2).sum()),
            "sum over the pairs",
        ),
        (
            "Python's min",
            _ccs(lambda p, q: ((p - (1 - q)) ** 2 + min(p, q) ** 2).mean()),
            "`torch.minimum` compares",
        ),
        ("detached", _ccs(lambda p, q: unsupervised.ccs_loss(p, q).detach()), "no gradient"),
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
        ("in place", _exchange_in_place, "itself was changed"),
        ("nothing", lambda resid, *rest: resid.clone(), "Nothing"),
    ],
}
