"""Lesson 05: the library's version of each exercise, and plausible wrong answers."""

import torch

from utils import probes

LIBRARY = {
    "last_token": probes.last_token,
    "split_by_group": probes.split_by_group,
    "mean_difference": probes.mean_difference,
    "control_labels": probes.control_labels,
    "auc": probes.auc,
    "ccs_loss": probes.ccs_loss,
    "push": probes.push,
}


def _token(pick):
    def last_token(resid, lengths, *, back=0):
        return pick(resid, lengths, torch.arange(len(resid)), back)

    return last_token


def _split(mask):
    def split_by_group(groups, *, test, seed):
        generator = torch.Generator().manual_seed(seed)
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
    def control_labels(types, *, seed):
        return toss(types, list(dict.fromkeys(types)), torch.Generator().manual_seed(seed))

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


def _push(change):
    def push(resid, direction, positions, *, size):
        resid = resid.clone()
        change(resid, direction, positions, size, torch.arange(len(resid)))
        return resid

    return push


def _step(step):
    def change(resid, direction, positions, size, rows):
        resid[rows, positions] += step(direction, size)

    return _push(change)


def _push_all(resid, direction, positions, size, rows):
    resid += size * direction / direction.norm()


def _push_mixed(resid, direction, positions, size, rows):
    resid[:, positions] += size * direction / direction.norm()


def _push_last(resid, direction, positions, size, rows):
    resid[:, -1] += size * direction / direction.norm()


def _push_in_place(resid, direction, positions, *, size):
    resid[torch.arange(len(resid)), positions] += size * direction / direction.norm()
    return resid


MISTAKES = {
    "last_token": [
        ("padding", _token(lambda r, n, rows, back: r[:, -1 - back]), "is padding"),
        ("off by one", _token(lambda r, n, rows, back: r[rows, n.clamp(max=4)]), "Off by one"),
        ("too early", _token(lambda r, n, rows, back: r[rows, n - 2]), "too early"),
        ("BOS", _token(lambda r, n, rows, back: r[:, 0]), "BOS"),
        ("mixed", _token(lambda r, n, rows, back: r[:, n - 1 - back]), "*all* rows"),
        ("left padding", _token(lambda r, n, rows, back: r[rows, r.shape[1] - n]), "on the left"),
        ("mean", _token(lambda r, n, rows, back: r.mean(1)), "padding too"),
        ("no back", _token(lambda r, n, rows, back: r[rows, n - 1]), "not used"),
        (
            "back to the right",
            _token(lambda r, n, rows, back: r[rows, (n - 1 + back).clamp(max=4)]),
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
            "Every seed",
        ),
        (
            "no generator",
            _split(lambda g, n, test, gen: _whole(_some(n, round(test * len(n)), None), g)),
            "same seed",
        ),
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
            "Every seed gives the same",
        ),
        (
            "no generator",
            _coins(lambda t, n, gen: _looked_up(torch.randint(2, (len(n),)), n, t)),
            "same seed",
        ),
        (
            "three labels",
            _coins(lambda t, n, gen: _looked_up(torch.randint(3, (len(n),), generator=gen), n, t)),
            "0 or 1",
        ),
    ],
    "auc": [
        ("ties lost", _auc(lambda a, b, s, y: (a[:, None] > b).float().mean()), "count nothing"),
        ("ties won", _auc(lambda a, b, s, y: (a[:, None] >= b).float().mean()), "in full"),
        ("swapped", _auc(lambda a, b, s, y: probes.auc(-s, y)), "swapped"),
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
        ("detached", _ccs(lambda p, q: probes.ccs_loss(p, q).detach()), "no gradient"),
    ],
    "push": [
        ("not divided", _step(lambda d, size: size * d), "own length in it"),
        ("no size", _step(lambda d, size: d / d.norm()), "`size` is not used"),
        ("backwards", _step(lambda d, size: -size * d / d.norm()), "wrong way"),
        ("everywhere", _push(_push_all), "Every position"),
        ("rows mixed", _push(_push_mixed), "*all* rows"),
        ("last column", _push(_push_last), "last column"),
        ("in place", _push_in_place, "itself was changed"),
        ("nothing", lambda resid, direction, positions, *, size: resid.clone(), "Nothing"),
    ],
}
