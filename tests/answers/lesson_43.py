"""Answers to lesson 4.3: the library's versions, and plausible mistakes."""

import torch


def _one_a_text(acts, text, n, *, order=None, positive=True):
    order = acts.argsort(descending=True, stable=True) if order is None else order
    first = {}
    for at in order.tolist():
        if acts[at] > 0 or not positive:
            first.setdefault(int(text[at]), at)
    return torch.tensor(list(first.values())[:n])


def _in_order_of_texts(acts, text, n):
    best = {t: max((text == t).nonzero()[:, 0].tolist(), key=lambda i: acts[i]) for t in range(4)}
    return torch.tensor([at for at in best.values() if acts[at] > 0][:n])


def _numbers_of_texts(acts, text, n):
    return text[_one_a_text(acts, text, n)]


def _cut_too_early(acts, text, n):
    return _one_a_text(acts, text, n, order=acts.topk(min(n, len(acts))).indices)


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
        ("order of texts", _in_order_of_texts, "order of the texts"),
        ("cut too early", _cut_too_early, "dropped repeats"),
        ("zeros too", lambda a, t, n: _one_a_text(a, t, n, positive=False), "is no example"),
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
    ],
    "token_share": [
        ("zero for new tokens", _share(unseen="zero"), "gets 0"),
        ("one number for new tokens", _share(unseen="scalar"), "a mean of its own"),
        ("mean of the test texts", _share(unseen="own mean"), "take that of the first"),
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
    ],
    "choose_columns": [
        ("no spread", _columns(lambda gap, sd, x: gap.abs()), "left the spread out"),
        ("signed", _columns(lambda gap, sd, x: gap / (sd + 0.03)), "signs are in"),
        ("variance", _columns(lambda gap, sd, x: gap.abs() / (sd**2 + 1e-6)), "by the variance"),
        ("much added", _columns(lambda gap, sd, x: gap.abs() / (sd + 1)), "added too much"),
        (
            "a tenth of the largest added",
            _columns(lambda gap, sd, x: gap.abs() / (sd + 0.1 * sd.max())),
            "added too much",
        ),
        ("nan first", _columns(lambda gap, sd, x: gap.abs() / sd), "never varies"),
        ("least", _columns(lambda gap, sd, x: gap.abs() / (sd + 1e-9), largest=False), "vari"),
        ("all", lambda x, y, k: torch.arange(5), "Keep the k best"),
        ("sizes", lambda x, y, k: torch.tensor([1.6, 1.4]), "sizes of gaps"),
    ],
}
