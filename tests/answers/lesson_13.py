"""Lesson 1.3: the library's version of each exercise, and plausible wrong answers."""

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
    ],
}
