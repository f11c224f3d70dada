"""Lesson 1.1: the library's version of each exercise, and plausible wrong answers."""

import torch

from utils.circuits import induction


def _repeat(change=None, **other):
    def repeated_tokens(seq_len, **settings):
        settings |= {k: v(settings) if callable(v) else v for k, v in other.items()}
        made = induction.repeated_tokens(seq_len, **settings)
        return change(made) if change else made

    return repeated_tokens


def _repeat_anew(seq_len, *, batch, d_vocab, bos, n_special, generator):
    def half():
        return torch.randint(n_special, d_vocab, (batch, seq_len), generator=generator)

    return torch.cat([torch.full((batch, 1), bos), half(), half()], dim=1)


def _repeat_without_generator(seq_len, *, batch, d_vocab, bos, n_special, generator):
    half = torch.randint(n_special, d_vocab, (batch, seq_len))
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)


def _losses(cut, score=lambda loss: loss.mean().item(), shift=1):
    def loss_by_half(logits, tokens):
        L = (tokens.shape[1] - 1) // 2
        log_probs = (logits[:, :-1] if shift else logits).log_softmax(-1)
        loss = -log_probs.gather(-1, tokens[:, shift:, None])[..., 0]
        first, second = cut(loss, L)
        return score(first), score(second)

    return loss_by_half


def _right_cut(loss, L):
    return loss[:, :L], loss[:, L + 1 :]


def _stripe(offset, reduce=lambda stripe: stripe.mean(-1).mean(0)):
    def scores(pattern, seq_len=None):
        at = offset(seq_len) if seq_len else offset
        return reduce(pattern.diagonal(at, dim1=-2, dim2=-1))

    return scores


def _ablate(change):
    def mean_ablate(z, heads):
        z = z.clone()
        change(z, list(heads))
        return z

    return mean_ablate


def _ablate_in_place(z, heads):
    z[:, :, heads] = z[:, :, heads].mean((0, 1), keepdim=True)
    return z


def _put(where, value):
    def change(z, chosen):
        z[where(chosen)] = value(z, chosen)

    return change


def _of_heads(chosen):
    return (slice(None), slice(None), chosen)


def _copy(score):
    def copying_score(W_E, W_V, W_O, W_U):
        return score(W_E, W_V, W_O, W_U)

    return copying_score


def _compose(product, norms=None):
    def k_composition(W_OV, W_QK):
        norm = torch.linalg.matrix_norm
        below = norms(W_OV, W_QK) if norms else norm(W_OV) * norm(W_QK)
        return norm(product(W_OV, W_QK)) / below

    return k_composition


MISTAKES = {
    "repeated_tokens": [
        ("no BOS", _repeat(lambda t: t[:, 1:]), "BOS is missing"),
        (
            "doubled in place",
            _repeat(lambda t: torch.cat([t[:, :1], t[:, 1:7].repeat_interleave(2, 1)], 1)),
            "doubled in place",
        ),
        ("drawn anew", _repeat_anew, "draw once"),
        ("one row for all", _repeat(lambda t: t[:1].expand(3, -1)), "same sequence"),
        ("special tokens", _repeat(n_special=0), "Special tokens"),
        ("beyond the vocabulary", _repeat(d_vocab=lambda s: s["d_vocab"] + 20), "outside"),
        ("one id short", _repeat(d_vocab=lambda s: s["d_vocab"] - 1), "only part of the vocab"),
        ("no generator", _repeat_without_generator, "same seed"),
        ("one half", _repeat(lambda t: t[:, :7]), "second half is missing"),
        ("floats", _repeat(lambda t: t.float()), "floats"),
    ],
    "loss_by_half": [
        (
            "no shift",
            _losses(lambda loss, L: (loss[:, 1 : L + 1], loss[:, L + 1 :]), shift=0),
            "Off by one",
        ),
        (
            "no shift, other cut",
            _losses(lambda loss, L: (loss[:, :L], loss[:, L:]), shift=0),
            "Off by one",
        ),
        (
            "first of the repeat counted",
            _losses(lambda loss, L: (loss[:, :L], loss[:, L:])),
            "leave it out",
        ),
        ("swapped", _losses(lambda loss, L: _right_cut(loss, L)[::-1]), "swapped"),
        ("sign", _losses(_right_cut, lambda loss: -loss.mean().item()), "sign"),
        ("sums", _losses(_right_cut, lambda loss: loss.sum(1).mean().item()), "sum"),
        ("one number", lambda logits, tokens: 1.0, "two numbers"),
    ],
    "previous_token_scores": [
        ("same position", _stripe(0), "same* position"),
        ("transposed", _stripe(1), "swapped"),
        ("two back", _stripe(-2), "Off by one"),
        (
            "divided by all positions",
            _stripe(-1, lambda s: (s.sum(-1) / (s.shape[-1] + 1)).mean(0)),
            "first has no previous",
        ),
        ("batch kept", _stripe(-1, lambda s: s.mean(-1)), "average over the batch"),
        ("heads averaged", _stripe(-1, lambda s: s.mean(-1).mean(1)), "keep the heads"),
    ],
    "induction_scores": [
        ("the earlier copy", _stripe(lambda L: -L), "Did you shift by one?"),
        ("before the earlier copy", _stripe(lambda L: -L - 1), "*before*"),
        ("two after", _stripe(lambda L: 2 - L), "other direction"),
        ("transposed", _stripe(lambda L: L - 1), "swapped"),
        (
            "all queries",
            _stripe(lambda L: 1 - L, lambda s: (s.sum(-1) / 9).mean(0)),
            "all queries",
        ),
        ("sum", _stripe(lambda L: 1 - L, lambda s: s.sum(-1).mean(0)), "take the mean"),
        ("batch kept", _stripe(lambda L: 1 - L, lambda s: s.mean(-1)), "average over the batch"),
    ],
    "mean_ablate": [
        ("zero", _ablate(_put(_of_heads, lambda z, h: 0.0)), "zero ablation"),
        (
            "positions",
            _ablate(
                _put(lambda h: (slice(None), h), lambda z, h: z[:, h].mean((0, 1), keepdim=True))
            ),
            "positions, not heads",
        ),
        ("in place", _ablate_in_place, "`z` itself was changed"),
        (
            "batch only",
            _ablate(_put(_of_heads, lambda z, h: z[:, :, h].mean(0, keepdim=True))),
            "batch *and* positions",
        ),
        (
            "one number a head",
            _ablate(_put(_of_heads, lambda z, h: z[:, :, h].mean((0, 1, 3), keepdim=True))),
            "d_head as well",
        ),
        (
            "every head",
            _ablate(_put(lambda h: slice(None), lambda z, h: z.mean((0, 1), keepdim=True))),
            "Every head",
        ),
        (
            "without BOS",
            _ablate(_put(_of_heads, lambda z, h: z[:, 1:, h].mean((0, 1), keepdim=True))),
            "BOS is left out",
        ),
        ("nothing", lambda z, heads: z.clone(), "Nothing has changed"),
        ("no return", lambda z, heads: None, "return"),
    ],
    "copying_score": [
        (
            "columns",
            _copy(lambda E, V, P, U: induction.copying_score(U.T, P.T, V.T, E.T)),
            "Rows and columns are swapped",
        ),
        (
            "no head",
            _copy(
                lambda E, V, P, U: induction.copying_score(
                    E, torch.eye(len(U)), torch.eye(len(U)), U
                )
            ),
            "head is missing",
        ),
        (
            "share of first places",
            _copy(
                lambda E, V, P, U: (
                    ((E @ V @ P @ U).argmax(-1) == torch.arange(len(E))).float().mean()
                )
            ),
            "come first",
        ),
        (
            "beats itself",
            _copy(
                lambda E, V, P, U: ((M := E @ V @ P @ U) <= M.diagonal()[:, None]).float().mean()
            ),
            "beating itself",
        ),
        (
            "divided by n",
            _copy(lambda E, V, P, U: induction.copying_score(E, V, P, U) * 6 / 7),
            "other",
        ),
        ("factors swapped", _copy(lambda E, V, P, U: E @ P @ V @ U), "wrong order"),
    ],
    "k_composition": [
        ("not transposed", _compose(lambda OV, QK: QK @ OV), "not transposed"),
        ("Q-composition", _compose(lambda OV, QK: OV @ QK), "Q-composition"),
        ("query side", _compose(lambda OV, QK: OV.mT @ QK), "query side"),
        (
            "no norms",
            _compose(lambda OV, QK: QK @ OV.mT, lambda OV, QK: 1),
            "norms of the two matrices are missing",
        ),
        (
            "one norm",
            _compose(lambda OV, QK: QK @ OV.mT, lambda OV, QK: torch.linalg.matrix_norm(OV)),
            "Only one",
        ),
        (
            "one norm over the stack",
            lambda OV, QK: (QK @ OV.mT).norm() / (OV.norm() * QK.norm()),
            "over everything",
        ),
    ],
}
