"""Lesson 4.2: the library's version of each exercise, and plausible wrong answers."""

import torch

from utils.features import sae as saes


def _given(sae, **weights):
    """An SAE with these weights, through which gradients reach them."""
    for name, value in weights.items():
        delattr(sae, name)
        setattr(sae, name, value)
    return sae


def _relu_sae(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    sae = saes.ReLUSAE(*W_enc.shape, l1=l1)
    _given(sae, W_enc=W_enc, b_enc=b_enc, W_dec=W_dec, b_dec=b_dec)
    return sae.encode(x), sae(x), sae.loss(x)[0]


class _Said(saes.ReLUSAE):
    """An SAE that says what it is told."""

    def encode(self, x):
        return torch.zeros(len(x), self.d_sae)

    def decode(self, acts):
        return self.x_hat


def _top_k(pre, k):
    n = pre.shape[-1]
    return _given(saes.TopKSAE(n, n, k=k), W_enc=torch.eye(n)).encode(pre)


def _jump_relu(pre, threshold):
    n = len(threshold)
    sae = saes.JumpReLUSAE(n, n)
    return _given(sae, W_enc=torch.eye(n), log_threshold=threshold.log()).encode(pre)


def _unexplained(x, x_hat):
    sae = _Said(x.shape[1], 2)
    sae.x_hat = x_hat
    return 1 - saes.quality(sae, x).explained


def _dead_loss(error, pre, dead, W_dec, *, k):
    n, d_in = error.shape
    centred = torch.eye(n, d_in)
    W_enc = torch.zeros(d_in, len(W_dec))
    W_enc[:n] = pre  # centred @ W_enc is pre
    assert k == d_in // 2 <= dead.sum(), "the library's own choice"
    sae = _given(saes.TopKSAE(d_in, len(W_dec), k=1), W_enc=W_enc, W_dec=W_dec)
    return sae._dead_loss(centred, error, dead)


# The course has these as methods of its dictionaries.
ADAPTED = {
    "relu_sae": _relu_sae,
    "top_k": _top_k,
    "jump_relu": _jump_relu,
    "unexplained": _unexplained,
    "dead_loss": _dead_loss,
}


def _squared(e):
    return e.square().sum(-1).mean()


def _l1(acts, pre):
    return acts.sum(-1).mean()


def _coder(acts=None, decode=lambda a, W, b: a @ W + b, error=_squared, price=_l1):
    def relu_sae(x, W_enc, b_enc, W_dec, b_dec, *, l1):
        pre = (x - b_dec) @ W_enc + b_enc
        active = pre.relu() if acts is None else acts(x, W_enc, b_enc, W_dec, b_dec)
        out = decode(active, W_dec, b_dec)
        return active, out, error(out - x) + l1 * price(active, pre)

    return relu_sae


def _weighted(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    acts, out, _ = _relu_sae(x, W_enc, b_enc, W_dec, b_dec, l1=l1)
    return acts, out, _squared(out - x) + l1 * (acts * W_dec.norm(dim=1)).sum(1).mean()


def _in_place(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    x -= b_dec
    acts = (x @ W_enc + b_enc).relu()
    return acts, acts @ W_dec + b_dec, torch.tensor(0.0)


def _detached(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    acts = _relu_sae(x, W_enc, b_enc, W_dec, b_dec, l1=l1)[0].detach()
    out = acts @ W_dec + b_dec
    return acts, out, _squared(out - x) + l1 * acts.sum(1).mean()


def _no_tensor(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    acts, out, loss = _coder()(x, W_enc, b_enc, W_dec, b_dec, l1=l1)
    return acts, out, loss.item()


def _chosen(score, dim=-1, relu=True):
    def top_k(pre, k):
        at = score(pre).topk(k, dim=dim).indices
        values = pre.gather(dim, at)
        return torch.zeros_like(pre).scatter(dim, at, values.relu() if relu else values)

    return top_k


def _row_by_row(pre, k):
    out = torch.zeros_like(pre)
    for i, row in enumerate(pre):
        for j in row.topk(k).indices.tolist():
            out[i, j] = row[j].relu()
    return out


def _threshold(answer):
    def jump_relu(pre, threshold):
        return answer(pre, threshold)

    return jump_relu


def _unit(v, dim=-1):
    return v / v.norm(dim=dim, keepdim=True)


def _nearest(answer):
    def best_cosine(true, found):
        return answer(_unit(true) @ _unit(found).T)

    return best_cosine


def _ratio(answer):
    def two(x, x_hat):
        return answer(x, x_hat, x - x.mean(0), x_hat - x.mean(0))

    return two


def _scale(x, x_hat):
    return x_hat.square().sum() / (x_hat * x).sum()


def _own_mean(x, x_hat):
    return _scale(x - x.mean(0), x_hat - x_hat.mean(0))


def _late(answer):
    def dead_loss(error, pre, dead, W_dec, *, k):
        return answer(error, pre, dead, W_dec, k)

    return dead_loss


def _dead(error, pre, among, W_dec, k, *, relu=True):
    at = pre.masked_fill(~among, -float("inf")).topk(k).indices
    values = pre.gather(1, at)
    acts = torch.zeros_like(pre).scatter(1, at, values.relu() if relu else values)
    return (error - acts @ W_dec).square().sum(1)


def _misplaced(error, pre, dead, W_dec, *, k):
    values, at = pre[:, dead].topk(k)
    return (error - (values.relu()[..., None] * W_dec[at]).sum(1)).square().sum(1).mean()


def _masked_late(error, pre, dead, W_dec, *, k):
    values, at = pre.topk(k)
    acts = torch.zeros_like(pre).scatter(1, at, values.relu()) * dead
    return (error - acts @ W_dec).square().sum(1).mean()


def _recovered(answer):
    def loss_recovered(replaced, *, clean, ablated):
        return answer(ablated.mean(), replaced.mean(), clean.mean())

    return loss_recovered


MISTAKES = {
    "relu_sae": [
        ("b_dec stays", _coder(lambda x, E, e, D, d: (x @ E + e).relu()), "not taken away"),
        ("no ReLU", _coder(lambda x, E, e, D, d: (x - d) @ E + e), "the ReLU is missing"),
        ("no b_enc", _coder(lambda x, E, e, D, d: ((x - d) @ E).relu()), "`b_enc` is missing"),
        ("tied", _coder(lambda x, E, e, D, d: ((x - d) @ D.T + e).relu()), "decoder's transpose"),
        ("b_dec is lost", _coder(decode=lambda a, W, b: a @ W), "was not added back"),
        ("a ReLU too many", _coder(decode=lambda a, W, b: (a @ W + b).relu()), "a ReLU too"),
        ("in place", _in_place, "in place"),
        ("two results", lambda **given: _relu_sae(**given)[:2], "three"),
        ("mean error", _coder(error=lambda e: e.square().mean()), "averaged over dimensions"),
        ("mean activity", _coder(price=lambda a, p: a.mean()), "averaged over latents"),
        ("L2", _coder(price=lambda a, p: a.square().sum(-1).mean()), "L2 penalty"),
        ("L0", _coder(price=lambda a, p: (a > 0).float().sum(-1).mean()), "That is L0"),
        ("before the ReLU", _coder(price=lambda a, p: p.sum(-1).mean()), "would earn"),
        ("sizes before it", _coder(price=lambda a, p: p.abs().sum(-1).mean()), "silence"),
        (
            "sums",
            _coder(error=lambda e: e.square().sum(), price=lambda a, p: a.sum()),
            "grows with the batch",
        ),
        ("no penalty", _coder(price=lambda a, p: 0.0), "penalty is missing"),
        ("unit directions", _coder(decode=lambda a, W, b: a @ _unit(W) + b), "to length 1"),
        ("weighted", _weighted, "weighted by the lengths"),
        ("a number", _no_tensor, "nothing could be trained"),
        ("detached", _detached, "do not reach all four weights"),
    ],
    "top_k": [
        ("along the batch", _chosen(lambda p: p, dim=0), "along the batch"),
        ("keeps negatives", _chosen(lambda p: p, relu=False), "A kept value is negative"),
        ("by size", _chosen(torch.abs), "in *size*"),
        ("a mask", lambda p, k: (_chosen(lambda q: q)(p, k) > 0).float(), "keep the values"),
        ("values alone", lambda p, k: p.topk(k).values.relu(), "side by side"),
        ("ReLU", lambda p, k: p.relu(), "that is a ReLU"),
        ("the second axis", _chosen(lambda p: p, dim=1), "last"),
        (
            "compared",
            lambda p, k: p.relu() * (p >= p.topk(k).values[..., -1:]),
            "choose k *places*",
        ),
        ("a loop over rows", _row_by_row, "without a loop"),
        (
            "above the k-th",
            lambda p, k: p.relu() * (p > p.topk(k).values[..., -1:]),
            "One too few",
        ),
        (
            "into pre",
            lambda p, k: p.scatter(-1, p.topk(k).indices, p.topk(k).values.relu()),
            "Begin with zeros",
        ),
        (
            "into pre, negatives",
            lambda p, k: p.scatter(-1, p.topk(k).indices, p.topk(k).values),
            "Begin with zeros",
        ),
        ("always three", lambda p, k: _chosen(lambda q: q)(p, 3), "use `k`"),
    ],
    "jump_relu": [
        ("shifted", _threshold(lambda p, t: (p - t).relu()), "that is the jump"),
        ("a mask", _threshold(lambda p, t: (p > t).float()), "multiply by the value"),
        ("ReLU", _threshold(lambda p, t: p.relu()), "not used"),
        ("by size", _threshold(lambda p, t: p * (p.abs() > t)), "negative values stay out"),
        ("clamped", _threshold(lambda p, t: p.maximum(t)), "raised to it"),
        ("the other half", _threshold(lambda p, t: p * (p <= t)), "*below*"),
        ("at it", _threshold(lambda p, t: p * (p >= t)), "*at* its threshold"),
    ],
    "best_cosine": [
        ("over features", _nearest(lambda c: c.max(0).values), "each *found* direction"),
        ("size", _nearest(lambda c: c.abs().max(1).values), "The sign was dropped"),
        ("mean", _nearest(lambda c: c.mean(1)), "take the best"),
        ("positions", _nearest(lambda c: c.argmax(1)), "positions"),
        ("dots", lambda t, f: (t @ f.T).max(1).values, "divided by the lengths"),
        (
            "columns",
            lambda t, f: (_unit(t, 0) @ _unit(f, 0).T).max(1).values,
            "A direction is a row",
        ),
        ("one number", _nearest(lambda c: c.max(1).values.mean()), "keep one value"),
        ("values and places", _nearest(lambda c: c.max(1)), "return the values"),
    ],
    "output_scale": [
        (
            "upside down",
            _ratio(lambda x, y, xc, yc: (xc * yc).sum() / yc.square().sum()),
            "upside down",
        ),
        ("raw", _ratio(lambda x, y, xc, yc: y.square().sum() / (x * y).sum()), "offset hides"),
        ("lengths", _ratio(lambda x, y, xc, yc: yc.norm() / xc.norm()), "ratio of lengths"),
        ("own mean", _own_mean, "the reconstruction's own"),
        (
            "one mean",
            _ratio(lambda x, y, xc, yc: _scale(x - x.mean(), y - x.mean())),
            "over all numbers at once: each",
        ),
        (
            "one own mean",
            _ratio(lambda x, y, xc, yc: _scale(x - x.mean(), y - y.mean())),
            "all numbers at once, and for each",
        ),
        (
            "mean of each vector",
            _ratio(lambda x, y, xc, yc: _scale(x - x.mean(1)[:, None], y - x.mean(1)[:, None])),
            "each vector's dimensions: average",
        ),
        (
            "own mean of each vector",
            _ratio(lambda x, y, xc, yc: _scale(x - x.mean(1)[:, None], y - y.mean(1)[:, None])),
            "each vector's dimensions, and for each",
        ),
        ("x alone", _ratio(lambda x, y, xc, yc: _scale(xc, y)), "from `x` alone"),
        (
            "the other alone",
            _ratio(lambda x, y, xc, yc: _scale(x, yc)),
            "from the reconstruction alone",
        ),
        (
            "own lengths",
            _ratio(lambda x, y, xc, yc: (y - y.mean(0)).norm() / xc.norm()),
            "each from its own mean",
        ),
        (
            "regression on x",
            _ratio(lambda x, y, xc, yc: (xc * yc).sum() / xc.square().sum()),
            "how much of `x` is kept",
        ),
        (
            "each by itself",
            _ratio(lambda x, y, xc, yc: (yc.square().sum(1) / (xc * yc).sum(1)).mean()),
            "divide sums",
        ),
    ],
    "unexplained": [
        (
            "explained",
            _ratio(lambda x, y, xc, yc: 1 - (x - y).square().sum() / xc.square().sum()),
            "that *is* explained",
        ),
        (
            "raw length",
            _ratio(lambda x, y, xc, yc: (x - y).square().sum() / x.square().sum()),
            "Variance is around the mean",
        ),
        (
            "one mean",
            _ratio(lambda x, y, xc, yc: (x - y).square().sum() / (x - x.mean()).square().sum()),
            "over all numbers at once",
        ),
        (
            "by dimension",
            _ratio(lambda x, y, xc, yc: ((x - y).square().sum(0) / xc.square().sum(0)).mean()),
            "ratios of the dimensions",
        ),
        (
            "by vector",
            _ratio(lambda x, y, xc, yc: ((x - y).square().sum(1) / xc.square().sum(1)).mean()),
            "ratios of the vectors",
        ),
        ("lengths", _ratio(lambda x, y, xc, yc: (x - y).norm() / xc.norm()), "square them"),
        (
            "sums of lengths",
            _ratio(lambda x, y, xc, yc: (x - y).norm(dim=1).sum() / xc.norm(dim=1).sum()),
            "sum their *squares*",
        ),
        (
            "spread of the reconstructions",
            _ratio(lambda x, y, xc, yc: (x - y).square().sum() / (y - y.mean(0)).square().sum()),
            "spread of the reconstructions",
        ),
        (
            "their mean",
            _ratio(lambda x, y, xc, yc: (x - y).square().sum() / (x - y.mean(0)).square().sum()),
            "the reconstructions' mean",
        ),
        (
            "sizes",
            _ratio(lambda x, y, xc, yc: (x - y).abs().sum() / xc.abs().sum()),
            "You took sizes",
        ),
        (
            "n - 1",
            _ratio(lambda x, y, xc, yc: (x - y).square().sum(1).mean() / x.var(0).sum()),
            "divides by n - 1",
        ),
        (
            "centred errors",
            _ratio(lambda x, y, xc, yc: (y - x).var(0).sum() / x.var(0).sum()),
            "is an error",
        ),
    ],
    "dead_loss": [
        ("the living", _late(lambda e, p, d, W, k: _dead(e, p, ~d, W, k).mean()), "*living*"),
        (
            "everyone",
            _late(lambda e, p, d, W, k: _dead(e, p, d | True, W, k).mean()),
            "Living latents took part",
        ),
        (
            "all dead",
            _late(lambda e, p, d, W, k: _dead(e, p, d, W, int(d.sum())).mean()),
            "All dead latents",
        ),
        (
            "negatives",
            _late(lambda e, p, d, W, k: _dead(e, p, d, W, k, relu=False).mean()),
            "Negative values",
        ),
        (
            "sign",
            _late(lambda e, p, d, W, k: _dead(-e, p, d, W, k).mean()),
            "sign is turned",
        ),
        ("sum", _late(lambda e, p, d, W, k: _dead(e, p, d, W, k).sum()), "average over them"),
        ("places among the dead", _misplaced, "places among the dead"),
        ("chosen, then masked", _masked_late, "*before* you choose"),
        (
            "weighed",
            _late(lambda e, p, d, W, k: _dead(e, p, d, W, k).mean() / 32),
            "1/32 here",
        ),
        (
            "a number",
            _late(lambda e, p, d, W, k: _dead(e, p, d, W, k).mean().item()),
            "could not learn",
        ),
        ("nothing", _late(lambda e, p, d, W, k: e.square().sum(1).mean()), "Nothing was"),
    ],
    "loss_recovered": [
        ("lost", _recovered(lambda a, r, c: (r - c) / (a - c)), "*lost*"),
        ("of the ablated", _recovered(lambda a, r, c: (a - r) / a), "*costs*"),
        ("upside down", _recovered(lambda a, r, c: (a - c) / (a - r)), "upside down"),
        ("ratio", _recovered(lambda a, r, c: c / r), "ratio of losses"),
        (
            "by text",
            lambda r, *, clean, ablated: ((ablated - r) / (ablated - clean)).mean(),
            "Average the losses first",
        ),
        (
            "medians",
            lambda r, *, clean, ablated: (
                (ablated.median() - r.median()) / (ablated.median() - clean.median())
            ),
            "the median",
        ),
        (
            "sizes",
            lambda r, *, clean, ablated: 1 - (r - clean).abs().mean() / (ablated - clean).mean(),
            "sizes of differences",
        ),
    ],
}
