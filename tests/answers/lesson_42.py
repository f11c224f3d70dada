"""Lesson 4.2: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch

from utils.features import planted
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
    assert k <= dead.sum()
    room = max(2 * k, len(error)) - error.shape[1]  # the library's own choice is d_in // 2
    error, W_dec = (torch.nn.functional.pad(each, (0, max(room, 0))) for each in (error, W_dec))
    n, d_in = error.shape
    assert k == d_in // 2
    centred = torch.eye(n, d_in)
    W_enc = torch.zeros(d_in, len(W_dec))
    W_enc[:n] = pre  # centred @ W_enc is pre
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


def _all_weighed(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    acts, out, _ = _relu_sae(x, W_enc, b_enc, W_dec, b_dec, l1=l1)
    return acts, out, l1 * (_squared(out - x) + acts.sum(1).mean())


def _squeezed(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    acts, out, loss = _relu_sae(x, W_enc, b_enc, W_dec, b_dec, l1=l1)
    return acts.squeeze(), out, loss


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


def _new(result):
    return torch.tensor(result.tolist(), requires_grad=True)


def _one_choice(score):
    def top_k(pre, k):
        on = torch.zeros(pre.shape[-1]).scatter(0, score(pre).topk(k).indices, 1.0)
        return pre.relu() * on

    return top_k


def _batch_top_k(pre, k):
    flat = pre.flatten()
    values, at = flat.topk(k * len(pre))
    return torch.zeros_like(flat).scatter(0, at, values.relu()).view_as(pre)


def _rows_top_k(pre, k):
    rows = pre.reshape(-1, pre.shape[-1])
    on = torch.zeros_like(rows)
    for i in range(len(pre) * (pre.shape[1] if pre.ndim > 2 else 1)):
        on[i, rows[i].topk(k).indices] = 1
    return (rows * on).relu().view_as(pre)


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


def _one_dead_choice(score):
    def loss(error, pre, dead, W_dec, k):
        chosen = score(pre).masked_fill(~dead, -float("inf")).topk(k).indices
        return (error - pre[:, chosen].relu() @ W_dec[chosen]).square().sum(1).mean()

    return loss


def _dead_batch_top_k(error, pre, dead, W_dec, k):
    among = pre.masked_fill(~dead, -float("inf"))
    least = among.flatten().topk(k * len(pre)).values[-1]
    acts = torch.where(among >= least, pre, 0).relu()
    return (error - acts @ W_dec).square().sum(1).mean()


def _dead_by_size(error, pre, dead, W_dec, k):
    at = pre.abs().masked_fill(~dead, -float("inf")).topk(k).indices
    acts = torch.zeros_like(pre).scatter(1, at, pre.gather(1, at).relu())
    return (error - acts @ W_dec).square().sum(1).mean()


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


def _coder_by_rows(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    rows = [torch.clamp(W_enc.T @ (row - b_dec) + b_enc, min=0) for row in x]
    outs = [W_dec.T @ row + b_dec for row in rows]
    losses = [
        ((out - row) ** 2).sum() + l1 * acts.abs().sum()
        for out, row, acts in zip(outs, x, rows, strict=True)
    ]
    return [torch.stack(rows), torch.stack(outs), sum(losses) / len(x)]


def _coder_by_einsum(x, W_enc, b_enc, W_dec, b_dec, *, l1):
    pre = torch.einsum("ni,is->ns", x - b_dec, W_enc) + b_enc
    acts = torch.where(pre > 0, pre, 0.0)
    out = torch.einsum("ns,si->ni", acts, W_dec) + b_dec
    return acts, out, (out - x).norm(dim=1).pow(2).mean() + l1 * acts.sum() / len(x)


def _unexplained_by_loops(x, x_hat):
    mean = [sum(column.tolist()) / len(column) for column in x.T]
    left = sum(
        (a - b) ** 2 for r, s in zip(x, x_hat, strict=True) for a, b in zip(r, s, strict=True)
    )
    return float(left) / sum(float((row[i] - m) ** 2) for row in x for i, m in enumerate(mean))


def _nearest_by_loops(true, found):
    return torch.stack([max(torch.cosine_similarity(t, f, dim=0) for f in found) for t in true])


def _nearest_by_numpy(true, found):
    t, f = (
        each.numpy() / np.linalg.norm(each.numpy(), axis=1, keepdims=True) for each in (true, found)
    )
    return torch.tensor((t @ f.T).max(axis=1))


def _top_k_by_rows(pre, k):
    out = torch.zeros_like(pre).reshape(-1, pre.shape[-1])
    for i, row in enumerate(pre.reshape(-1, pre.shape[-1])):
        at = row.argsort(descending=True)[:k]
        out[i, at] = row[at].clamp(min=0)
    return out.reshape(pre.shape)


def _top_k_by_mask(pre, k):
    mask = torch.zeros_like(pre, dtype=torch.bool)
    mask.scatter_(-1, pre.argsort(dim=-1)[..., -k:], True)
    return torch.where(mask & (pre > 0), pre, torch.zeros_like(pre))


def _jump_in_place(pre, threshold):
    out = pre.clone()
    out[pre <= threshold] = 0
    return out


def _scale_by_numpy(x, x_hat):
    x, x_hat = x.numpy(), x_hat.numpy()
    mean = x.mean(axis=0)
    return float(((x_hat - mean) ** 2).sum() / ((x_hat - mean) * (x - mean)).sum())


def _dead_of_the_dead(error, pre, dead, W_dec, *, k):
    values, at = pre[:, dead].topk(k)
    directions = W_dec[dead][at]  # [n, k, d_in]
    return (error - (values.relu()[..., None] * directions).sum(1)).square().sum(-1).mean()


def _dead_by_rows(error, pre, dead, W_dec, *, k):
    losses, who = [], dead.nonzero().flatten().tolist()
    for left, row in zip(error, pre, strict=True):
        best = sorted(who, key=lambda i: -row[i].item())[:k]
        losses.append(((left - sum(row[i].clamp(min=0) * W_dec[i] for i in best)) ** 2).sum())
    return torch.stack(losses).mean()


def _dead_by_zeros(error, pre, dead, W_dec, *, k):
    values, at = (pre * dead).topk(k)  # a living latent's 0 adds nothing
    return (error - torch.einsum("nk,nkd->nd", values.relu(), W_dec[at])).pow(2).sum(1).mean()


def _recovered_by_lists(replaced, *, clean, ablated):
    r, c, a = (sum(each.tolist()) / len(each) for each in (replaced, clean, ablated))
    return 1 - (r - c) / (a - c)


RIGHT = {
    "relu_sae": [("rows, a list", _coder_by_rows), ("einsum", _coder_by_einsum)],
    "unexplained": [
        ("loops", _unexplained_by_loops),
        ("variances", lambda x, y: (y - x).pow(2).mean(0).sum() / x.var(0, correction=0).sum()),
    ],
    "best_cosine": [("loops", _nearest_by_loops), ("numpy", _nearest_by_numpy)],
    "top_k": [("rows", _top_k_by_rows), ("a mask", _top_k_by_mask)],
    "jump_relu": [
        ("in place of a copy", _jump_in_place),
        ("where", lambda pre, threshold: torch.where(pre > threshold, pre, 0.0)),
    ],
    "output_scale": [
        (
            "a tensor",
            lambda x, y: (
                (y - x.mean(0)).pow(2).sum()
                / ((y - x.mean(0)) * x).sum().sub(((y - x.mean(0)) * x.mean(0)).sum())
            ),
        ),
        ("numpy", _scale_by_numpy),
    ],
    "dead_loss": [
        ("among the dead alone", _dead_of_the_dead),
        ("rows", _dead_by_rows),
        ("zeros for the living", _dead_by_zeros),
    ],
    "loss_recovered": [
        ("lists", _recovered_by_lists),
        ("a tensor", lambda r, *, clean, ablated: (ablated - r).sum() / (ablated - clean).sum()),
    ],
}

MISTAKES = {
    "relu_sae": [
        ("b_dec stays", _coder(lambda x, E, e, D, d: (x @ E + e).relu()), "not taken away"),
        ("no ReLU", _coder(lambda x, E, e, D, d: (x - d) @ E + e), "the ReLU is missing"),
        ("no b_enc", _coder(lambda x, E, e, D, d: ((x - d) @ E).relu()), "`b_enc` is missing"),
        ("tied", _coder(lambda x, E, e, D, d: ((x - d) @ D.T + e).relu()), "decoder's transpose"),
        ("b_dec is lost", _coder(decode=lambda a, W, b: a @ W), "was not added back"),
        ("a ReLU too many", _coder(decode=lambda a, W, b: (a @ W + b).relu()), "a ReLU too"),
        ("in place", _in_place, "changes its input `x`"),
        ("half", _coder(error=lambda e: _squared(e) / 2), "halved"),
        ("all times l1", _all_weighed, "whole loss was"),
        ("the penalty detached", _coder(price=lambda a, p: _l1(a, p).detach()), "not their grad"),
        ("the error detached", _coder(error=lambda e: _squared(e).detach()), "do not reach"),
        ("squeezed", _squeezed, "of one vector"),
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
        ("no gradient at all", torch.no_grad()(_relu_sae), "no gradient"),
        ("detached", _detached, "gradients do not reach"),
    ],
    "top_k": [
        ("along the batch", _chosen(lambda p: p, dim=0), "along the batch"),
        ("keeps negatives", _chosen(lambda p: p, relu=False), "A kept value is negative"),
        ("by size", _chosen(torch.abs), "in *size*"),
        ("the first's choice", _one_choice(lambda p: p[0]), "The first vector's"),
        ("one choice", _one_choice(lambda p: p.mean(0)), "One choice"),
        ("sizes", lambda p, k: _chosen(lambda q: q, relu=False)(p, k).abs(), "size was taken"),
        ("no gradient", lambda p, k: _chosen(lambda q: q)(p.detach(), k), "no gradient"),
        ("a new tensor", lambda p, k: _new(_chosen(lambda q: q)(p, k)), "has no gradient"),
        ("the whole batch", _batch_top_k, "(BatchTopK)"),
        ("more axes, not fewer", _rows_top_k, "IndexError at"),
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
        ("their mean", _threshold(lambda p, t: p * (p > t.mean())), "their mean"),
        ("the first", _threshold(lambda p, t: p * (p > t[0])), "first latent's threshold"),
        ("the highest", _threshold(lambda p, t: p * (p > t.max())), "highest threshold"),
        ("rows only", _threshold(lambda p, t: p * (p > t.expand(len(p), -1))), "tensor"),
        ("no gradient", _threshold(lambda p, t: (p * (p > t)).detach()), "no gradient"),
        ("a new tensor", _threshold(lambda p, t: _new(p * (p > t))), "has no gradient"),
        ("in place", _threshold(lambda p, t: p.data.mul_(p > t)), "changes its input"),
    ],
    "best_cosine": [
        ("over features", _nearest(lambda c: c.max(0).values), "each *found* direction"),
        ("size", _nearest(lambda c: c.abs().max(1).values), "The sign was dropped"),
        ("cut off", _nearest(lambda c: c.max(1).values.clamp(min=0)), "leave the sign"),
        ("squeezed", _nearest(lambda c: c.max(1).values.squeeze()), "of one feature"),
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
        ("1 at most", lambda x, y: min(planted.output_scale(x, y), 1.0), "1 at most"),
        ("size", lambda x, y: abs(planted.output_scale(x, y)), "The sign is lost"),
        ("0 at least", lambda x, y: max(planted.output_scale(x, y), 0.0), "0 at least"),
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
        ("1 at most", lambda x, y: min(_unexplained(x, y), 1.0), "says 1 at most"),
        (
            "0 at least",
            lambda x, y: min(max(1 - _unexplained(x, y), 0.0), 1.0),
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
        ("by the first", _late(_one_dead_choice(lambda p: p[0])), "by the first vector"),
        ("by the sum", _late(_one_dead_choice(lambda p: p.sum(0))), "by the sum"),
        ("by the mean", _late(_one_dead_choice(lambda p: p.mean(0))), "by the sum"),
        ("by activity", _late(_one_dead_choice(lambda p: p.relu().sum(0))), "how active"),
        ("by the highest", _late(_one_dead_choice(lambda p: p.amax(0))), "by the highest"),
        ("of the whole batch", _late(_dead_batch_top_k), "k x n largest"),
        ("by size", _late(_dead_by_size), "in *size*"),
        ("always two", _late(lambda e, p, d, W, k: _dead(e, p, d, W, 2).mean()), "not used"),
        (
            "half of the dimensions",
            _late(lambda e, p, d, W, k: _dead(e, p, d, W, e.shape[1] // 2).mean()),
            "not used",
        ),
        (
            "the choice detached",
            _late(lambda e, p, d, W, k: _dead(e, p.detach(), d, W, k).mean()),
            "gradients do not reach",
        ),
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
            "no gradient",
        ),
        ("nothing", _late(lambda e, p, d, W, k: e.square().sum(1).mean()), "Nothing was"),
    ],
    "loss_recovered": [
        ("lost", _recovered(lambda a, r, c: (r - c) / (a - c)), "*lost*"),
        ("size", lambda *a, **how: abs(saes.loss_recovered(*a, **how)), "The sign is lost"),
        ("0 at least", lambda *a, **how: max(saes.loss_recovered(*a, **how), 0.0), "cut off"),
        ("1 at most", lambda *a, **how: min(saes.loss_recovered(*a, **how), 1.0), "above 1"),
        ("both", lambda *a, **how: min(max(saes.loss_recovered(*a, **how), 0), 1), "cut off"),
        (
            "size of what is lost",
            lambda *a, **how: 1 - abs(1 - saes.loss_recovered(*a, **how)),
            "distance from 1",
        ),
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
