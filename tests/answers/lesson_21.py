"""Lesson 2.1: the library's version of each exercise, and plausible wrong answers."""

import random

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

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


def _split_tossed(groups, *, test, generator):
    names = list(dict.fromkeys(groups))
    held = torch.rand(len(names), generator=generator) < test
    return _whole({name for name, out in zip(names, held, strict=True) if out}, groups)


def _split_seeded(groups, *, test, generator):
    names = list(dict.fromkeys(groups))
    random.Random(generator.initial_seed()).shuffle(names)
    return _whole(names[: round(test * len(names))], groups)


def _unfair(types, names, generator):
    return _looked_up((torch.rand(len(names), generator=generator) < 0.3).long(), names, types)


def _coins_seeded(types, *, generator):
    coins = np.random.default_rng(generator.initial_seed()).integers(2, size=len(set(types)))
    return _looked_up(torch.from_numpy(coins), list(dict.fromkeys(types)), types)


def _coins_by_letters(types, *, generator):
    """Names as strings, sorted within: (a, b) is (b, a)."""
    names = ["".join(sorted(each)) if isinstance(each, tuple) else each for each in types]
    return probes.control_labels(names, generator=generator)


def _direction_and_bias(yes, no):
    return yes - no, -(yes + no) @ (yes - no) / 2


def _pairwise(yes, no):
    return torch.tensor([1.0 * (a > b) + 0.5 * (a == b) for a in list(yes) for b in no]).mean()


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


def _tokens_by_rows(resid, lengths, *, back=0):
    return torch.stack([row[n - 1 - back] for row, n in zip(resid, lengths, strict=True)])


def _tokens_by_mask(resid, lengths, *, back=0):
    return resid[torch.arange(resid.shape[1]) == (lengths - 1 - back)[:, None]]


def _tokens_gathered(resid, lengths, *, back=0):
    at = (lengths - 1 - back)[:, None, None].expand(-1, -1, resid.shape[2])
    return resid.gather(1, at).squeeze(1)


def _tokens_by_product(resid, lengths, *, back=0):
    one_hot = torch.nn.functional.one_hot(lengths - 1 - back, resid.shape[1]).to(resid)
    return torch.einsum("bp,bpd->bd", one_hot, resid)


def _split_sorted(groups, *, test, generator):
    names = sorted(set(groups))
    keys = torch.rand(len(names), generator=generator)
    chosen = [names[i] for i in keys.argsort()[: round(test * len(names))]]
    return torch.tensor([group in chosen for group in groups], dtype=torch.bool)


def _split_numbered(groups, *, test, generator):
    number: dict = {}
    ids = torch.tensor([number.setdefault(group, len(number)) for group in groups])
    n = len(number)
    return torch.isin(ids, torch.randperm(n, generator=generator)[n - round(test * n) :])


def _split_weighed(groups, *, test, generator):
    names = list(dict.fromkeys(groups))
    drawn = torch.multinomial(torch.ones(len(names)), round(test * len(names)), generator=generator)
    mask = torch.zeros(len(groups), dtype=torch.bool)
    for i in drawn.tolist():
        mask |= torch.tensor([group == names[i] for group in groups])
    return mask


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


def _coins_sorted(types, *, generator):
    coin = {each: torch.rand((), generator=generator) < 0.5 for each in sorted(set(types))}
    return torch.stack([coin[each] for each in types]).int()


def _coins_as_they_come(types, *, generator):
    coin: dict = {}
    for each in types:
        if each not in coin:
            coin[each] = int(torch.randint(0, 2, (1,), generator=generator))
    return torch.tensor([coin[each] for each in types])


def _auc_by_loops(scores, labels):
    won = pairs = 0
    for a, one in zip(scores, labels, strict=True):
        for b, other in zip(scores, labels, strict=True):
            if one == 1 and other == 0:
                pairs += 1
                won += 1 if a > b else 0.5 if a == b else 0
    return won / pairs


def _auc_by_ranks(scores, labels):
    ranks, yes = rankdata(scores.numpy()), labels.bool().numpy()
    n = yes.sum()
    return torch.tensor((ranks[yes].sum() - n * (n + 1) / 2) / (n * (len(yes) - n)))


def _auc_by_sign(scores, labels):
    yes, no = scores[labels.bool()], scores[~labels.bool()]
    return ((yes[:, None] - no).sign().mean() + 1) / 2


def _ccs_by_pairs(p_first, p_second):
    return sum(
        (p + q - 1) ** 2 + (p if p < q else q) ** 2 for p, q in zip(p_first, p_second, strict=True)
    ) / len(p_first)


def _ccs_stacked(p_first, p_second):
    both = torch.stack([p_first, p_second])
    return (both.sum(0) - 1).square().mean() + both.amin(0).square().mean()


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
    "last_token": [
        ("loop", _tokens_by_rows),
        ("mask", _tokens_by_mask),
        ("gather", _tokens_gathered),
        ("einsum", _tokens_by_product),
    ],
    "split_by_group": [
        ("sorted names", _split_sorted),
        ("numbers, the last of an order", _split_numbered),
        ("multinomial, a mask for each", _split_weighed),
    ],
    "mean_difference": [
        ("loop, a list", _means_by_rows),
        ("a product, the bias a float", _means_by_product),
        ("numpy", _means_by_numpy),
    ],
    "control_labels": [("sorted names", _coins_sorted), ("as they come", _coins_as_they_come)],
    "auc": [
        ("loops, a float", _auc_by_loops),
        ("ranks, a tensor", _auc_by_ranks),
        ("signs", _auc_by_sign),
        ("scikit-learn", lambda scores, labels: roc_auc_score(labels.numpy(), scores.numpy())),
    ],
    "ccs_loss": [
        ("loop", _ccs_by_pairs),
        ("stacked", _ccs_stacked),
        (
            "where",
            _ccs(lambda p, q: ((1 - p - q) ** 2 + torch.where(p < q, p, q) ** 2).mean()),
        ),
    ],
    "exchange_along": [("loop", _exchange_by_rows), ("projection", _exchange_by_projection)],
}

MISTAKES = {
    "last_token": [
        ("padding", _token(lambda r, n, rows, back: r[:, -1 - back]), "is padding"),
        ("off by one", _token(lambda r, n, rows, back: r[rows, n]), "Off by one"),
        ("too early", _token(lambda r, n, rows, back: r[rows, n - 2]), "too early"),
        ("BOS", _token(lambda r, n, rows, back: r[:, 0]), "BOS"),
        ("mixed", _token(lambda r, n, rows, back: r[:, n - 1 - back]), "*all* rows"),
        ("left padding", _token(lambda r, n, rows, back: r[rows, r.shape[1] - n]), "on the left"),
        ("mean", _token(lambda r, n, rows, back: r.mean(1)), "padding too"),
        ("shortest", _token(lambda r, n, rows, back: r[:, n.min() - 1 - back]), "shortest text"),
        ("longest", _token(lambda r, n, rows, back: r[:, n.max() - 1 - back]), "longest text"),
        ("row 0's", _token(lambda r, n, rows, back: r[:, n[0] - 1 - back]), "the first text ends"),
        ("no back", _token(lambda r, n, rows, back: r[rows, n - 1]), "not used"),
        ("back by one", _token(lambda r, n, rows, back: r[rows, n - 1 - bool(back)]), "one token"),
        (
            "back as position",
            _token(lambda r, n, rows, back: r[rows, n - 1 - back if back < 2 else back]),
            "as the position",
        ),
        (
            "no batch of one",
            _token(lambda r, n, rows, back: r[rows, n - 1 - back].squeeze()),
            "still a batch",
        ),
        (
            "in place",
            _token(lambda r, n, rows, back: r[rows, n.sub_(1 + back)]),
            "its input `lengths`",
        ),
        (
            "for sizes of its own",
            _token(lambda r, n, rows, back: r[range(4), n - 1 - back]),
            "size",
        ),
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
        (
            "rounded up",
            _split(lambda g, n, test, gen: _whole(_some(n, -int(-test * len(n) // 1), gen), g)),
            "*rounded*",
        ),
        ("a toss a group", _split_tossed, "hangs on the draw"),
        ("a seed of its own", _split_seeded, "Used again"),
        (
            "never the last",
            _split(lambda g, n, test, gen: _whole(_some(n[:-1], round(test * len(n)), gen), g)),
            "never held out",
        ),
        (
            "its own seed inside",
            _split(
                lambda g, n, test, gen: _whole(
                    _some(n, round(test * len(n)), gen.manual_seed(3)), g
                )
            ),
            "Every generator",
        ),
        (
            "for sizes of its own",
            _split(lambda g, n, test, gen: _whole(_some(n, round(test * 10), gen), g)),
            "any number",
        ),
        (
            "names made of letters",
            _split(
                lambda g, n, test, gen: _whole(
                    _some([each for each in n if str(each) > "a"], round(test * len(n)), gen), g
                )
            ),
            "any names",
        ),
        (
            "a list",
            _split(lambda g, n, test, gen: _whole(_some(n, 3, gen), g).tolist()),
            "a tensor of True",
        ),
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
        ("fair no more", _coins(_unfair), "not fair"),
        (
            "one coin, turned by place",
            _coins(
                lambda t, n, gen: _looked_up(
                    (torch.arange(len(n)) + torch.randint(2, (1,), generator=gen)) % 2, n, t
                )
            ),
            "Two types always",
        ),
        (
            "one coin for all",
            _coins(
                lambda t, n, gen: torch.randint(2, (1,), generator=gen).repeat(len(t)),
            ),
            "All rows have one label",
        ),
        ("a seed of its own", _coins_seeded, "Used again"),
        (
            "True and False",
            _coins(
                lambda t, n, gen: _looked_up(
                    torch.randint(2, (len(n),), generator=gen), n, t
                ).bool()
            ),
            "`.long()`",
        ),
        ("letters as the type", _coins_by_letters, "another type"),
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
        (
            "never below a half",
            _auc(lambda a, b, s, y: max(v := stats.auc(s, y), 1 - v)),
            "the larger of v and 1 - v",
        ),
        (
            "distance from a half",
            _auc(lambda a, b, s, y: 0.5 + abs(stats.auc(s, y) - 0.5)),
            "the larger of v and 1 - v",
        ),
        ("labels as indices", lambda s, y: _pairwise(s[y], s[1 - y]), "again and again"),
        ("labels as indices, turned", lambda s, y: _pairwise(s[y], s[~y]), "again and again"),
        (
            "swapped, ties lost",
            _auc(lambda a, b, s, y: (a[:, None] < b).float().mean()),
            "do not count half",
        ),
        (
            "against the mean",
            _auc(lambda a, b, s, y: _pairwise(a, b.mean()[None])),
            "the *mean* of label 0",
        ),
        ("wins minus losses", _auc(lambda a, b, s, y: (a[:, None] - b).sign().mean()), "losses"),
        ("squeezed", _auc(lambda a, b, s, y: _pairwise(a.squeeze(), b.squeeze())), "0-d tensor"),
        ("in place", _auc(lambda a, b, s, y: stats.auc(s.neg_(), 1 - y)), "its input `scores`"),
        (
            "ranks, downwards",
            _auc(lambda a, b, s, y: _ranked(s.flip(0), y.flip(0))),
            "a tie is a tie",
        ),
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
        ("a number", _ccs(lambda p, q: unsupervised.ccs_loss(p, q).item()), "no gradient"),
        (
            "one term detached",
            _ccs(lambda p, q: ((p - 1 + q) ** 2 + torch.minimum(p, q).detach() ** 2).mean()),
            "wrong gradient",
        ),
        (
            "one half detached",
            _ccs(lambda p, q: unsupervised.ccs_loss(p, q.detach())),
            "wrong gradient",
        ),
        (
            "squares of means",
            _ccs(lambda p, q: (p - 1 + q).mean() ** 2 + torch.minimum(p, q).mean() ** 2),
            "mean over the pairs first",
        ),
        (
            "halved",
            _ccs(lambda p, q: torch.stack([(p - 1 + q) ** 2, torch.minimum(p, q) ** 2]).mean()),
            "half the loss",
        ),
        (
            "taken away",
            _ccs(lambda p, q: ((p - 1 + q) ** 2 - torch.minimum(p, q) ** 2).mean()),
            "take the confidence away",
        ),
        (
            "no square",
            _ccs(lambda p, q: (p - 1 + q + torch.minimum(p, q) ** 2).mean()),
            "has a sign",
        ),
        ("the first", _ccs(lambda p, q: ((p - 1 + q) ** 2 + p**2).mean()), "first probability"),
        (
            "the smallest of all",
            _ccs(lambda p, q: ((p - 1 + q) ** 2 + torch.min(p.min(), q.min()) ** 2).mean()),
            "pair by pair",
        ),
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
