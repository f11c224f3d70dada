"""Lesson 1.3: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch

from utils.circuits import attribution


def _rows(values, right, wrong):
    rows = torch.arange(len(right))
    return values[rows, right] - values[rows, wrong]


def _split(by_part, norm):
    def ablation_split(before, after, direction, old, new):
        was, now = (before * direction).sum(-1), (after * direction).sum(-1)
        return by_part(was, now, old, new), norm(was, now, old, new)

    return ablation_split


def _by_part(was, now, old, new):
    return (now - was) / old


def _norm(was, now, old, new):
    return now.sum(0) / new - now.sum(0) / old


def _pick(values, tokens):
    return values[torch.arange(len(tokens)), tokens]


def _rms(x):
    return x.pow(2).mean(-1).sqrt()


def _without_itself(written, direction, scale):
    others = (written.sum(0) - written) / max(1, len(written) - 1)
    return ((others - written) * direction).sum(-1) / scale


MISTAKES = {
    "logit_diff": [
        ("sign", lambda logits, r, w: _rows(logits[:, -1], w, r), "right minus wrong"),
        ("first position", lambda logits, r, w: _rows(logits[:, 0], r, w), "first position"),
        ("one too early", lambda logits, r, w: _rows(logits[:, -2], r, w), "Off by one"),
        ("all pairs", lambda x, r, w: x[:, -1, r] - x[:, -1, w], "Index rows and tokens together"),
        (
            "every position",
            lambda x, r, w: torch.stack([_rows(x[:, i], r, w) for i in range(x.shape[1])], 1),
            "keep the last only",
        ),
        (
            "probabilities",
            lambda logits, r, w: _rows(logits[:, -1].softmax(-1), r, w),
            "probabilities",
        ),
        ("absolute", lambda x, r, w: _rows(x[:, -1], r, w).abs(), "sign is lost"),
        ("cut off", lambda x, r, w: _rows(x[:, -1], r, w).clamp(min=0), "cut it off"),
        ("which one", lambda x, r, w: _rows(x[:, -1], r, w).sign(), "only the sign"),
        ("quotient", lambda x, r, w: _pick(x[:, -1], r) / _pick(x[:, -1], w), "quotient"),
        ("right alone", lambda x, r, w: _pick(x[:, -1], r), "subtract the wrong"),
        ("sum", lambda x, r, w: _rows(x[:, -1], r, w).sum(), "sum over rows"),
        ("squeezed", lambda x, r, w: _rows(x[:, -1].squeeze(), r, w), "IndexError"),
        ("squeezed after", lambda x, r, w: _rows(x[:, -1], r, w).squeeze(), "keep one"),
        ("first row's pair", lambda x, r, w: x[:, -1, r[0]] - x[:, -1, w[0]], "first row's pair"),
        ("mean", lambda logits, r, w: _rows(logits[:, -1], r, w).mean(), "single number"),
        (
            "mean of all pairs",
            lambda x, r, w: (x[:, -1, r] - x[:, -1, w]).mean(-1),
            "Index rows and tokens together",
        ),
    ],
    "logit_diff_direction": [
        ("no weight", lambda W_U, g, r, w: (W_U[:, r] - W_U[:, w]).T, "weight is missing"),
        ("divided", lambda W_U, g, r, w: (W_U[:, r] - W_U[:, w]).T / g, "multiplies by it"),
        ("twice", lambda W_U, g, r, w: (W_U[:, r] - W_U[:, w]).T * g**2, "twice"),
        ("sign", lambda W_U, g, r, w: (W_U[:, w] - W_U[:, r]).T * g, "right minus wrong"),
        ("not transposed", lambda W_U, g, r, w: (W_U[:, r] - W_U[:, w]) * g[:, None], "swapped"),
        ("rows", lambda W_U, g, r, w: W_U[r] - W_U[w], "*column*"),
        ("axes do not fit", lambda W_U, g, r, w: g * (W_U[:, r] - W_U[:, w]), "[d_model, batch]"),
        (
            "unit length",
            lambda *a: torch.nn.functional.normalize(attribution.logit_diff_direction(*a), dim=-1),
            "no longer in logits",
        ),
        (
            "absolute weights",
            lambda W_U, n, r, w: attribution.logit_diff_direction(W_U, n.abs(), r, w),
            "absolute value of the norm",
        ),
        ("absolute", lambda *a: attribution.logit_diff_direction(*a).abs(), "sign is lost"),
        ("weight added", lambda W_U, g, r, w: (W_U[:, r] - W_U[:, w]).T + g, "is added"),
        ("1 added", lambda W_U, g, r, w: (W_U[:, r] - W_U[:, w]).T * (1 + g), "1 is added"),
        (
            "first pair",
            lambda W_U, g, r, w: (g * (W_U[:, r[0]] - W_U[:, w[0]])).expand(len(r), -1),
            "first one's pair",
        ),
        ("mean", lambda *a: attribution.logit_diff_direction(*a).mean(0), "One direction"),
        ("squeezed", lambda *a: attribution.logit_diff_direction(*a).squeeze(), "keeps its axis"),
        ("sum of columns", lambda W_U, g, r, w: g * (W_U[:, r] + W_U[:, w]).T, "subtract them"),
    ],
    "direct_logit_attribution": [
        ("no scale", lambda p, d, s: (p * d).sum(-1), "scale is missing"),
        (
            "own scale",
            lambda p, d, s: (p * d).sum(-1) / p.pow(2).mean(-1).sqrt(),
            "*own* scale",
        ),
        ("multiplied", lambda p, d, s: (p * d).sum(-1) * s, "multiplied"),
        ("mean", lambda p, d, s: (p * d).mean(-1) / s, "dot product is a sum"),
        ("transposed", lambda p, d, s: ((p * d).sum(-1) / s).T, "axes are swapped"),
        ("cosine", lambda p, d, s: torch.cosine_similarity(p, d[None], dim=-1), "cosine"),
        ("one direction", lambda p, d, s: p @ d[0] / s, "first one's direction"),
        ("all pairs", lambda p, d, s: p @ d.T / s, "every prompt's direction"),
        ("all at once", lambda p, d, s: (p * d).sum(-1).sum(0) / s, "summed over the parts"),
        ("scale of the parts", lambda p, d, s: (p * d).sum(-1) / _rms(p.sum(0)), "from `parts`"),
        ("first scale", lambda p, d, s: (p * d).sum(-1) / s[0], "first one's scale"),
        ("mean scale", lambda p, d, s: (p * d).sum(-1) / s.mean(), "One scale"),
        ("mean direction", lambda p, d, s: p @ d.mean(0) / s, "mean direction"),
        ("absolute", lambda p, d, s: ((p * d).sum(-1) / s).abs(), "sign is lost"),
        ("cut off", lambda p, d, s: ((p * d).sum(-1) / s).relu(), "cut it off"),
        ("squeezed", lambda p, d, s: ((p * d).sum(-1) / s).squeeze(), "keeps its axis"),
        (
            "unit direction",
            lambda p, d, s: (p * torch.nn.functional.normalize(d, dim=-1)).sum(-1) / s,
            "no longer in logits",
        ),
        ("not summed", lambda p, d, s: p * d / s[:, None], "not summed"),
    ],
    "head_outputs": [
        ("batch first", lambda z, W: torch.einsum("bhe,hed->bhd", z, W), "head first"),
        ("summed", lambda z, W: torch.einsum("bhe,hed->bd", z, W), "keep them apart"),
        (
            "reshaped",
            lambda z, W: z.reshape(z.shape[1], z.shape[0], -1) @ W,
            "only cuts the numbers",
        ),
        ("first W_O", lambda z, W: (z @ W[0]).transpose(0, 1), "first head's W_O"),
        ("z added up", lambda z, W: z.sum(1) @ W, "added up first"),
        ("all W_O", lambda z, W: torch.einsum("bhe,ked->hbd", z, W), "sum of all W_O"),
        ("no transpose", lambda z, W: z @ W, "the head is axis 1"),
        ("a list", lambda z, W: [z[:, h] @ W[h] for h in range(len(W))], "torch.stack"),
        ("joined", lambda z, W: torch.cat([z[:, h] @ W[h] for h in range(len(W))]), "new first"),
        (
            "joined along d_model",
            lambda z, W: torch.cat([z[:, h] @ W[h] for h in range(len(W))], -1),
            "along d_model",
        ),
        (
            "first prompt",
            lambda z, W: torch.einsum("bhe,hed->hbd", z[:1].expand_as(z), W),
            "first one's outputs",
        ),
        ("all pairs of heads", lambda z, W: torch.einsum("bie,jed->ijbd", z, W), "its own is"),
        ("mean", lambda z, W: attribution.head_outputs(z, W).mean(1), "keep the prompts"),
        ("squeezed", lambda z, W: attribution.head_outputs(z, W).squeeze(), "keeps its axis"),
    ],
    "predicted_effect": [
        (
            "sign",
            lambda x, d, s: ((x - x.mean(0)) * d).sum(-1) / s,
            "lowers the difference",
        ),
        ("zero ablation", lambda x, d, s: -(x * d).sum(-1) / s, "zero ablation"),
        ("the attribution", lambda x, d, s: (x * d).sum(-1) / s, "attribution"),
        (
            "mean attribution",
            lambda x, d, s: (a := (x * d).sum(-1) / s).mean() - a,
            "Average the *vectors*",
        ),
        (
            "wrong axis",
            lambda x, d, s: ((x.mean(1, keepdim=True) - x) * d).sum(-1) / s,
            "mean over d_model",
        ),
        ("no scale", lambda x, d, s: ((x.mean(0) - x) * d).sum(-1), "scale is missing"),
        (
            "one number",
            lambda x, d, s: (((x.mean(0) - x) * d).sum(-1) / s).mean(),
            "single number",
        ),
        ("absolute", lambda x, d, s: attribution.predicted_effect(x, d, s).abs(), "sign is lost"),
        ("the mean alone", lambda x, d, s: (x.mean(0) * d).sum(-1) / s, "take off"),
        ("sum", lambda x, d, s: ((x.sum(0) - x) * d).sum(-1) / s, "take the mean"),
        ("mean of everything", lambda x, d, s: ((x.mean() - x) * d).sum(-1) / s, "over everything"),
        ("median", lambda x, d, s: ((x.median(0).values - x) * d).sum(-1) / s, "median"),
        ("first prompt", lambda x, d, s: ((x[0] - x) * d).sum(-1) / s, "first prompt"),
        ("without itself", _without_itself, "left out of its own mean"),
        ("multiplied", lambda x, d, s: ((x.mean(0) - x) * d).sum(-1) * s, "divide by it"),
        ("mean scale", lambda x, d, s: ((x.mean(0) - x) * d).sum(-1) / s.mean(), "One scale"),
        ("first scale", lambda x, d, s: ((x.mean(0) - x) * d).sum(-1) / s[0], "first one's scale"),
        ("mean direction", lambda x, d, s: (x.mean(0) - x) @ d.mean(0) / s, "mean direction"),
        ("first direction", lambda x, d, s: (x.mean(0) - x) @ d[0] / s, "first one's direction"),
        ("mean product", lambda x, d, s: ((x.mean(0) - x) * d).mean(-1) / s, "is a sum"),
    ],
    "ablation_split": [
        ("sign", _split(lambda *a: -_by_part(*a), _norm), "after minus before"),
        (
            "scale after",
            _split(lambda was, now, old, new: (now - was) / new, _norm),
            "scale of the run *after*",
        ),
        (
            "own scales",
            _split(
                lambda was, now, old, new: now / new - was / old,
                lambda was, now, old, new: torch.zeros_like(old),
            ),
            "hidden inside the parts",
        ),
        ("norm's sign", _split(_by_part, lambda *a: -_norm(*a)), "larger scale afterwards"),
        (
            "the whole effect",
            _split(_by_part, lambda was, now, old, new: now.sum(0) / new - was.sum(0) / old),
            "whole effect",
        ),
        (
            "norm on the old stream",
            _split(_by_part, lambda was, now, old, new: was.sum(0) / new - was.sum(0) / old),
            "stream *before*",
        ),
        (
            "no norm",
            _split(_by_part, lambda was, now, old, new: torch.zeros_like(old)),
            "zero only if",
        ),
        ("swapped", lambda *a: attribution.ablation_split(*a)[::-1], "swapped"),
        ("one result", lambda *a: attribution.ablation_split(*a)[0], "two tensors"),
        ("absolute parts", _split(lambda *a: _by_part(*a).abs(), _norm), "may push either way"),
        ("absolute norm", _split(_by_part, lambda *a: _norm(*a).abs()), "share is lost"),
        (
            "mean scale",
            _split(lambda was, now, old, new: 2 * (now - was) / (old + new), _norm),
            "mean of the two scales",
        ),
        (
            "scales of the parts",
            lambda b, a, d, old, new: attribution.ablation_split(
                b, a, d, _rms(b.sum(0)), _rms(a.sum(0))
            ),
            "from the parts",
        ),
        (
            "first direction",
            lambda b, a, d, old, new: attribution.ablation_split(
                b, a, d[:1].expand_as(d), old, new
            ),
            "first one's direction",
        ),
        (
            "norm for each part",
            _split(_by_part, lambda was, now, old, new: now / new - now / old),
            "One share for each part",
        ),
        (
            "mean over the parts",
            _split(_by_part, lambda was, now, old, new: now.mean(0) / new - now.mean(0) / old),
            "mean over the parts",
        ),
        ("mean norm", _split(_by_part, lambda *a: _norm(*a).mean()), "keep one for each"),
        ("squeezed", _split(lambda *a: _by_part(*a).squeeze(), _norm), "keeps its axis"),
        ("scale missing", _split(lambda was, now, old, new: now - was, _norm), "scale is missing"),
    ],
}


def _by_gather(logits, right, wrong):
    log_probs = logits[:, -1, :].log_softmax(-1)
    chosen = log_probs.gather(1, torch.stack([right, wrong], dim=1))
    return chosen[:, 0] - chosen[:, 1]


def _by_zip(logits, right, wrong):
    rows = zip(logits, right.tolist(), wrong.tolist(), strict=True)
    return torch.tensor([float(row[-1, a] - row[-1, b]) for row, a, b in rows])


def _direction_by_rows(W_U, norm_weight, right, wrong):
    return (W_U.T[right] - W_U.T[wrong]) @ norm_weight.diag()


def _direction_by_numpy(W_U, norm_weight, right, wrong):
    W, g = W_U.numpy(), norm_weight.numpy()
    pairs = zip(right.tolist(), wrong.tolist(), strict=True)
    return torch.from_numpy(np.stack([g * (W[:, a] - W[:, b]) for a, b in pairs]))


def _attribution_by_loop(parts, direction, scale):
    out = torch.zeros(parts.shape[:2])
    for p in range(parts.shape[0]):
        for b in range(parts.shape[1]):
            out[p, b] = torch.dot(parts[p, b], direction[b]) / scale[b]
    return out


def _heads_by_loop(z, W_O):
    return torch.stack([z[:, h] @ W_O[h] for h in range(z.shape[1])])


def _effect_by_parts(written, direction, scale):
    """The difference of two attributions, of the mean vector and of what was written."""
    was = (written * direction).sum(-1) / scale
    return direction @ written.mean(0) / scale - was


def _effect_by_loop(written, direction, scale):
    mean = written.double().numpy().mean(0)
    rows = zip(written.double().numpy(), direction.double().numpy(), scale.tolist(), strict=True)
    return torch.tensor([float((mean - row) @ d / s) for row, d, s in rows])


def _split_by_difference(before, after, direction, scale_before, scale_after):
    """The norm's share is what the parts leave of the whole effect."""
    was = torch.einsum("pbd,bd->b", before, direction) / scale_before
    now = torch.einsum("pbd,bd->b", after, direction) / scale_after
    by_part = torch.einsum("pbd,bd->pb", after - before, direction / scale_before[:, None])
    return [by_part, now - was - by_part.sum(0)]


def _split_by_loop(before, after, direction, scale_before, scale_after):
    shares = torch.stack(
        [
            attribution.direct_logit_attribution(a[None] - b[None], direction, scale_before)[0]
            for b, a in zip(before, after, strict=True)
        ]
    )
    whole = (after.sum(0) * direction).sum(-1)
    return shares, whole * (1 / scale_after - 1 / scale_before)


RIGHT = {
    "logit_diff": [("gather, log-probabilities", _by_gather), ("row by row", _by_zip)],
    "logit_diff_direction": [("rows of W_U.T", _direction_by_rows), ("numpy", _direction_by_numpy)],
    "direct_logit_attribution": [
        ("einsum", lambda p, d, s: torch.einsum("pbd,bd,b->pb", p, d, 1 / s)),
        ("a loop", _attribution_by_loop),
    ],
    "head_outputs": [
        ("matmul", lambda z, W_O: z.transpose(0, 1) @ W_O),
        ("a loop", _heads_by_loop),
    ],
    "predicted_effect": [("two attributions", _effect_by_parts), ("numpy", _effect_by_loop)],
    "ablation_split": [
        ("what is left, a list", _split_by_difference),
        ("part by part", _split_by_loop),
    ],
}
