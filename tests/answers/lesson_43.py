"""Answers to lesson 4.3: the library's versions, and plausible mistakes."""

import numpy as np
import torch


def _one_a_text(acts, text, n, *, order=None, positive=True):
    order = acts.argsort(descending=True, stable=True) if order is None else order
    first = {}
    for at in order.tolist():
        if acts[at] > 0 or not positive:
            first.setdefault(int(text[at]), at)
    return torch.tensor(list(first.values())[:n])


def _in_order_of_texts(acts, text, n):
    best = {t: max((text == t).nonzero()[:, 0].tolist(), key=lambda i: acts[i]) for t in range(5)}
    return torch.tensor([at for at in best.values() if acts[at] > 0][:n])


def _numbers_of_texts(acts, text, n):
    return text[_one_a_text(acts, text, n)]


def _cut_too_early(acts, text, n):
    return _one_a_text(acts, text, n, order=acts.topk(min(n, len(acts))).indices)


def _first_of_text(acts, text, n):
    first = {}
    for at in (acts > 0).nonzero()[:, 0].tolist():
        first.setdefault(int(text[at]), at)
    return torch.tensor(sorted(first.values(), key=lambda i: -acts[i])[:n], dtype=torch.long)


def _at_least_one(acts, text, n):
    found = _one_a_text(acts, text, n)
    return found if len(found) else acts.argmax()[None]


def _effect(answer):
    def logit_effect(direction, norm_weight, W_U):
        return answer(direction, direction / direction.norm(), norm_weight, W_U)

    return logit_effect


def _centred(values):
    return values - values.mean()


def _share(*, unseen="mean", own=False, left=False, centre="own", joint=False):
    def token_share(fit_acts, fit_tokens, acts, tokens):
        learn_acts, learn_tokens = (acts, tokens) if own else (fit_acts, fit_tokens)
        width = fit_acts.shape[1]
        instead = {
            "mean": fit_acts.mean(0),
            "zero": torch.zeros(width),
            "scalar": fit_acts.mean().expand(width),
            "own mean": acts.mean(0),
            "mean of means": torch.stack(
                [fit_acts[fit_tokens == i].mean(0) for i in fit_tokens.unique()]
            ).mean(0),
            "empty": torch.full((width,), torch.nan),
        }[unseen]
        guess = torch.stack(
            [
                learn_acts[learn_tokens == token].mean(0)
                if (learn_tokens == token).any()
                else instead
                for token in tokens
            ]
        )
        middle = {"own": acts.mean(0), "fit": fit_acts.mean(0), "zero": 0}[centre]
        error, total = (acts - guess).square(), (acts - middle).square()
        rest = error.sum() / total.sum() if joint else error.sum(0) / total.sum(0)
        return rest if left else 1 - rest

    return token_share


def _gains(answer, *, drop=True):
    def key_gains(fires, key):
        kept = key >= 0
        if not drop:
            key, kept = torch.where(kept, key, int(key.max())), torch.ones_like(kept)
        n = int(key.max()) + 1
        on, off = (torch.bincount(key[kept & part], minlength=n) for part in (fires, ~fires))
        return answer(on.double(), off.double(), fires.sum(), (~fires).sum())

    return key_gains


_right_gains = _gains(lambda on, off, n, m: (on / n - off / m) / 2)


def _no_minlength(fires, key):
    on, off = (torch.bincount(key[part & (key >= 0)]) for part in (fires, ~fires))
    return (on / fires.sum() - off / (~fires).sum()) / 2


def _filter_in_one(fires, key):
    on, off = torch.bincount(key[fires], minlength=4), torch.bincount(key[~fires & (key >= 0)])
    return (on / fires.sum() - off / (~fires).sum()) / 2


def _of_those_with_a_key(fires, key):
    on, off = (torch.bincount(key[p & (key >= 0)], minlength=4) for p in (fires, ~fires))
    return (on / on.sum() - off / off.sum()) / 2


def _minus_one_counted(fires, key):
    weight = torch.where(fires, 0.5 / fires.sum(), -0.5 / (~fires).sum())
    return torch.bincount(key, weights=weight)


def _columns(score, *, largest=True):
    def choose_columns(x, y, k):
        gap = x[y == 1].mean(0) - x[y == 0].mean(0)
        return score(gap, x.std(0), x).topk(k, largest=largest).indices

    return choose_columns


def _add(spread):
    return spread + 1e-3 * spread.max()


def _gap(one, other):
    return (one.mean(0) - other.mean(0)).abs()


def _split(score):
    return lambda x, y, k: score(x[y == 1], x[y == 0], x).topk(k).indices


def _medians(a, b, x):
    return (a.median(0).values - b.median(0).values).abs() / _add(x.std(0))


def _by_hand(x, y, k):
    """By rank, whatever the spread: a column of one value has none."""
    merit = []
    for column in x.T:
        spread = column.std().item()
        gap = column[y.bool()].mean() - column[~y.bool()].mean()
        merit.append(abs(gap.item()) / spread if spread else -1.0)
    return torch.tensor(sorted(range(len(merit)), key=merit.__getitem__)[-k:])


def _columns_by_numpy(x, y, k):
    x, y = x.numpy(), y.numpy()
    gap = x[y == 1].mean(0) - x[y == 0].mean(0)
    with np.errstate(invalid="ignore"):
        score = np.nan_to_num(np.abs(gap) / x.std(0))
    return torch.from_numpy(np.sort(np.argsort(-score)[:k]))


def _best_of_texts(acts, text, n):
    best = []
    for t in text.unique():
        here = (text == t).nonzero()[:, 0]
        if acts[here].max() > 0:
            best.append(here[acts[here].argmax()])
    best = torch.stack(best) if best else torch.zeros(0, dtype=torch.long)
    return best[acts[best].argsort(descending=True)][:n]


def _until_there_are_n(acts, text, n):
    seen, found = set(), []
    for i in np.argsort(-acts.numpy()):
        if len(found) < n and acts[i] > 0 and text[i].item() not in seen:
            seen.add(text[i].item())
            found.append(int(i))
    return torch.tensor(found)


def _effect_by_tokens(direction, norm_weight, W_U):
    unit = direction / sum(v**2 for v in direction.tolist()) ** 0.5
    logits = torch.stack([(unit * norm_weight * column).sum() for column in W_U.T])
    return logits - sum(logits) / len(logits)


def _share_by_dictionary(fit_acts, fit_tokens, acts, tokens):
    rows = {}
    for token, row in zip(fit_tokens.tolist(), fit_acts, strict=True):
        rows.setdefault(token, []).append(row)
    means = {token: sum(each) / len(each) for token, each in rows.items()}
    guess = torch.stack([means.get(token, fit_acts.mean(0)) for token in tokens.tolist()])
    n = len(acts)
    return 1 - ((acts - guess) ** 2).mean(0) / (acts.var(0) * (n - 1) / n)


def _share_by_matrix(fit_acts, fit_tokens, acts, tokens):
    same = (tokens[:, None] == fit_tokens[None]).float()
    n = same.sum(1, keepdim=True)
    guess = torch.where(n > 0, same @ fit_acts / n.clamp(min=1), fit_acts.mean(0))
    return 1 - (acts - guess).norm(dim=0) ** 2 / (acts - acts.mean(0)).norm(dim=0) ** 2


def _gains_by_ids(fires, key):
    ids = range(int(key.max()) + 1)
    shares = [[(key[part] == i).double().mean() for i in ids] for part in (fires, ~fires)]
    return torch.tensor([(on - off) / 2 for on, off in zip(*shares, strict=True)])


def _gains_by_one_hot(fires, key):
    is_id = key[:, None] == torch.arange(key.max() + 1)
    return 0.5 * (is_id[fires].float().mean(0) - is_id[~fires].float().mean(0))


RIGHT = {
    "top_examples": [("best of each text", _best_of_texts), ("a set", _until_there_are_n)],
    "logit_effect": [
        ("tokens", _effect_by_tokens),
        (
            "einsum",
            lambda d, w, W: torch.einsum(
                "i,i,ij->j", torch.nn.functional.normalize(d, dim=0), w, W - W.mean(1, keepdim=True)
            ),
        ),
    ],
    "token_share": [("a dictionary", _share_by_dictionary), ("a matrix", _share_by_matrix)],
    "key_gains": [("ids", _gains_by_ids), ("one-hot", _gains_by_one_hot)],
    "choose_columns": [
        ("columns, the best last", _by_hand),
        ("numpy, by number", _columns_by_numpy),
    ],
}

MISTAKES = {
    "top_examples": [
        ("no limit to a text", lambda a, t, n: a.topk(min(n, len(a))).indices, "from one text"),
        ("turned round", lambda a, t, n: _one_a_text(a, t, n).flip(0), "the weaker one first"),
        (
            "weakest",
            lambda a, t, n: _one_a_text(a, t, n, order=a.argsort(stable=True), positive=False),
            "Those are the weakest",
        ),
        (
            "weakest active",
            lambda a, t, n: _one_a_text(a, t, n, order=a.argsort(stable=True)),
            "weakest of the active",
        ),
        ("values", lambda a, t, n: a[_one_a_text(a, t, n)], "Those are activations"),
        ("texts", _numbers_of_texts, "numbers of texts"),
        ("order of texts", _in_order_of_texts, "of the first texts"),
        ("cut too early", _cut_too_early, "dropped repeats"),
        ("zeros too", lambda a, t, n: _one_a_text(a, t, n, positive=False), "is no example"),
        (
            "a set",
            lambda a, t, n: torch.tensor(sorted(_one_a_text(a, t, n).tolist())).long(),
            "has no order of its own",
        ),
        ("floats", lambda a, t, n: _one_a_text(a, t, n).float(), "tensor of ints"),
        ("first active", _first_of_text, "first active tokens"),
        ("always two", lambda a, t, n: _one_a_text(a, t, 2), "more are asked for"),
        ("at least one", _at_least_one, "active nowhere"),
    ],
    "logit_effect": [
        ("no norm weight", _effect(lambda d, u, w, W: _centred(u @ W)), "weight is missing"),
        ("rms", _effect(lambda d, u, w, W: _centred((u * 3**0.5 * w) @ W)), "not that their mean"),
        ("own length", _effect(lambda d, u, w, W: _centred((d * w) @ W)), "own length"),
        ("no mean", _effect(lambda d, u, w, W: (u * w) @ W), "take away the mean"),
        (
            "scaled after",
            _effect(lambda d, u, w, W: _centred((d * w) / (d * w).norm() @ W)),
            "after the norm's weight",
        ),
        ("divided", _effect(lambda d, u, w, W: _centred((u / w) @ W)), "divided by"),
        ("softmax", _effect(lambda d, u, w, W: ((u * w) @ W).softmax(-1)), "softmax"),
        ("sign", _effect(lambda d, u, w, W: -_centred((u * w) @ W)), "turned round"),
        (
            "summed sizes",
            _effect(lambda d, u, w, W: _centred((d / d.abs().sum() * w) @ W)),
            "not that the sizes do",
        ),
        ("sizes", _effect(lambda d, u, w, W: _centred((u * w) @ W).abs()), "pushed down"),
        (
            "deviations",
            _effect(lambda d, u, w, W: _centred((u * w) @ W) / ((u * w) @ W).std()),
            "by the spread",
        ),
        ("coordinates", _effect(lambda d, u, w, W: (u * w) @ (W - W.mean(0))), "its own mean"),
    ],
    "token_share": [
        ("zero for new tokens", _share(unseen="zero"), "gets 0"),
        ("one number for new tokens", _share(unseen="scalar"), "a mean of its own"),
        ("mean of the test texts", _share(unseen="own mean"), "take that of the first"),
        ("mean of means", _share(unseen="mean of means"), "each id counts alike"),
        ("0 at least", lambda *given: _share()(*given).clamp(min=0), "cut off"),
        ("size", lambda *given: _share()(*given).abs(), "The sign is lost"),
        ("squeezed", lambda *given: _share()(*given).squeeze(), "one latent"),
        ("empty mean", _share(unseen="empty"), "empty set"),
        ("own texts", _share(own=True), "texts you test on"),
        ("what is left", _share(left=True), "share that is left"),
        ("first texts' mean", _share(centre="fit"), "around the"),
        ("around zero", _share(centre="zero"), "not around 0"),
        ("one number", _share(joint=True), "One number"),
    ],
    "key_gains": [
        ("minus one", _minus_one_counted, "no token"),
        ("no minlength", _no_minlength, "different lengths"),
        ("filter in one count", _filter_in_one, "in both counts"),
        ("only those with a key", _of_those_with_a_key, "divided by the tokens with a key"),
        (
            "minus one as the last",
            _gains(lambda on, off, n, m: (on / n - off / m) / 2, drop=False),
            "counted as the last",
        ),
        ("not halved", _gains(lambda on, off, n, m: on / n - off / m), "Twice"),
        ("no false alarms", _gains(lambda on, off, n, m: on / n / 2), "false alarms"),
        ("one number", _gains(lambda on, off, n, m: (on - off) / (n + m) / 2), "by one number"),
        (
            "rate",
            _gains(lambda on, off, n, m: torch.nan_to_num(on / (on + off))),
            "comes once",
        ),
        (
            "against all",
            _gains(lambda on, off, n, m: (on / n - (on + off) / (n + m)) / 2),
            "that of *all* tokens",
        ),
        (
            "precision",
            _gains(lambda on, off, n, m: torch.nan_to_num((on - off) / (on + off)) / 2),
            "how often each key comes",
        ),
        ("sign", _gains(lambda on, off, n, m: (off / m - on / n) / 2), "turned round"),
        ("counts", _gains(lambda on, off, n, m: on - off), "Those are counts"),
        ("0 at least", lambda f, k: _right_gains(f, k).clamp(min=0), "cut off"),
        ("sizes", lambda f, k: _right_gains(f, k).abs(), "sizes of the gains"),
        ("ids that fire", lambda f, k: _right_gains(f, k)[: k[f].max() + 1], "shape"),
    ],
    "choose_columns": [
        ("no spread", _columns(lambda gap, sd, x: gap.abs()), "left the spread out"),
        ("sums", _split(lambda a, b, x: (a.sum(0) - b.sum(0)).abs() / _add(x.std(0))), "sums"),
        ("class 0's", _split(lambda a, b, x: _gap(a, b) / _add(b.std(0))), "class 0's spread"),
        ("class 1's", _split(lambda a, b, x: _gap(a, b) / _add(a.std(0))), "class 1's spread"),
        ("medians", _split(_medians), "class 0's"),
        (
            "indices",
            lambda x, y, k: (_gap(x[y], x[1 - y]) / _add(x.std(0))).topk(k).indices,
            "are `x[y == 1]`",
        ),
        (
            "indices from the end",
            lambda x, y, k: (_gap(x[y], x[~y]) / _add(x.std(0))).topk(k).indices,
            "and `x[~y]`",
        ),
        (
            "signed, the other way",
            _columns(lambda gap, sd, x: -gap / (sd + 0.03)),
            "one that falls. Take",
        ),
        (
            "variance, a little added",
            _columns(lambda gap, sd, x: gap.abs() / _add(sd**2)),
            "by the variance",
        ),
        ("always two", lambda x, y, k: _by_hand(x, y, 2), "All columns but one"),
        ("mask", lambda x, y, k: torch.zeros(11).scatter(0, _by_hand(x, y, k), 1), "Keep the k"),
        ("signed", _columns(lambda gap, sd, x: gap / (sd + 0.03)), "signs are in"),
        ("variance", _columns(lambda gap, sd, x: gap.abs() / (sd**2 + 1e-6)), "by the variance"),
        ("much added", _columns(lambda gap, sd, x: gap.abs() / (sd + 1)), "added too much"),
        (
            "a tenth of the largest added",
            _columns(lambda gap, sd, x: gap.abs() / (sd + 0.1 * sd.max())),
            "added too much",
        ),
        ("nan first", _columns(lambda gap, sd, x: gap.abs() / sd), "never varies"),
        (
            "least",
            _columns(lambda gap, sd, x: gap.abs() / (sd + 1e-9), largest=False),
            "The two columns",
        ),
        ("all", lambda x, y, k: torch.arange(11), "Keep the k best"),
        ("sizes", lambda x, y, k: torch.tensor([1.6, 1.4]), "sizes of gaps"),
    ],
}
