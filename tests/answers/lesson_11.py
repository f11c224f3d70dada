"""Lesson 1.1: the library's version of each exercise, and plausible wrong answers."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from utils.circuits import composition, induction
from utils.heads import mean_ablate


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


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


def _below_each_other(tokens):
    half = (tokens.shape[1] + 1) // 2
    return tokens[:, :half].repeat(2, 1)


def _one_token(tokens):
    return tokens[:, 1:2].expand(-1, tokens.shape[1] - 1)


def _softmax_over_positions(logits, tokens):
    loss = -logits[:, :-1].log_softmax(1).gather(-1, tokens[:, 1:, None])[..., 0]
    return tuple(half.mean() for half in _right_cut(loss, tokens.shape[1] // 2))


def _raw_logits(logits, tokens):
    loss = -logits[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
    return tuple(half.mean() for half in _right_cut(loss, tokens.shape[1] // 2))


def _means(z, heads):
    return z[:, :, heads].mean((0, 1), keepdim=True)


def _starts_again(z, heads):
    for head in heads:
        out = z.clone()
        out[:, :, head] = z[:, :, head].mean((0, 1))
    return out


def _beaten(scores):
    return (scores < scores.diagonal()[:, None]).sum(-1) / (len(scores) - 1)


def _all_rows(E, V, P, U):
    scores = E @ V @ P @ U
    off = scores[~torch.eye(len(scores), dtype=torch.bool)]
    return (off < scores.diagonal()[:, None]).float().mean()


_norm = torch.linalg.matrix_norm


def _right_product(W_OV, W_QK):
    return W_QK @ W_OV.mT


def _of_order(order):
    def k_composition(W_OV, W_QK):
        return _norm(W_QK @ W_OV.mT, order) / (_norm(W_OV, order) * _norm(W_QK, order))

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
        ("no generator", _repeat_without_generator, "*global* generator"),
        ("one half", _repeat(lambda t: t[:, :7]), "second half is missing"),
        ("floats", _repeat(lambda t: t.float()), "floats"),
        ("below each other", _repeat(_below_each_other), "below each other"),
        ("one token a row", _repeat(lambda t: torch.cat([t[:, :1], _one_token(t)], 1)), "single"),
        ("a seed of its own", _repeat(generator=lambda s: _seeded(0)), "Two seeds"),
        (
            "the generator started again",
            _repeat(generator=lambda s: _seeded(s["generator"].initial_seed())),
            "do not start it again",
        ),
        ("squeezed", _repeat(lambda t: t.squeeze()), "should be (1, 9)"),
        ("BOS is 2", _repeat(bos=2), "written out"),
        ("batch of three", _repeat(batch=3), "should be (1, 9)"),
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
        ("no mean", _losses(_right_cut, lambda loss: loss), "still has a loss for each row"),
        ("one mean a row", _losses(_right_cut, lambda loss: loss.mean(1)), "for each row"),
        (
            "cut without a mean",
            lambda logits, tokens: (logits[:, :4], logits[:, 5:]),
            "still has a loss for each row",
        ),
        ("sum of everything", _losses(_right_cut, lambda loss: loss.sum().item()), "a sum over"),
        ("first text", _losses(_right_cut, lambda loss: loss[0].mean().item()), "first text"),
        ("bits", _losses(_right_cut, lambda loss: loss.mean().item() / math.log(2)), "bits"),
        ("perplexity", _losses(_right_cut, lambda loss: loss.mean().exp()), "perplexity"),
        (
            "BOS's prediction left out",
            _losses(lambda loss, L: (loss[:, 1:L], loss[:, L + 1 :])),
            "BOS predicts it",
        ),
        (
            "the unpredictable one in the first half",
            _losses(lambda loss, L: (loss[:, : L + 1], loss[:, L + 1 :])),
            "leave it out of both",
        ),
        ("softmax over positions", _softmax_over_positions, "vocabulary is the last axis"),
        ("logits", _raw_logits, "Those are logits"),
        (
            "seq_len of 4",
            _losses(lambda loss, L: (loss[:, :4], loss[:, 5:])),
            "of 1 with seq_len 3",
        ),
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
        ("one number", _stripe(-1, lambda s: s.mean()), "keep the heads apart"),
        ("sum", _stripe(-1, lambda s: s.sum(-1).mean(0)), "take the mean"),
        ("sum over texts", _stripe(-1, lambda s: s.mean(-1).sum(0)), "sum over the batch"),
        ("first text", _stripe(-1, lambda s: s.mean(-1)[0]), "first text"),
        ("last query", _stripe(-1, lambda s: s[..., -1].mean(0)), "last position"),
        ("largest", _stripe(-1, lambda s: s.amax(-1).mean(0)), "largest attention"),
        ("squeezed", _stripe(-1, lambda s: s.mean(-1).squeeze().mean(0)), "keep the heads"),
        ("first position", lambda pattern: pattern[:, :, 1:, 0].mean((0, 2)), "first position"),
        (
            "how often it is the largest",
            lambda p: (
                (p[:, :, 1:].argmax(-1) == torch.arange(p.shape[-1] - 1)).float().mean((0, 2))
            ),
            "how often",
        ),
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
        ("heads averaged", _stripe(lambda L: 1 - L, lambda s: s.mean((1, 2))), "keep the heads"),
        ("first text", _stripe(lambda L: 1 - L, lambda s: s.mean(-1)[0]), "first text"),
        ("last query", _stripe(lambda L: 1 - L, lambda s: s[..., -1].mean(0)), "last query"),
        ("largest", _stripe(lambda L: 1 - L, lambda s: s.amax(-1).mean(0)), "largest attention"),
        (
            "without the last query",
            _stripe(lambda L: 1 - L, lambda s: s[..., 2:-1].mean((0, 2))),
            "last query is left out",
        ),
        (
            "seq_len of 4",
            lambda pattern, seq_len: pattern.diagonal(-3, dim1=-2, dim2=-1).mean((0, 2)),
            "with seq_len 6",
        ),
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
        ("in place", _ablate_in_place, "changes its input `z` itself"),
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
        (
            "turned round",
            lambda z, heads: mean_ablate(z, [h for h in range(z.shape[2]) if h not in heads]),
            "turned round",
        ),
        ("first head only", lambda z, heads: mean_ablate(z, heads[:1]), "Only the first head"),
        ("starts again", _starts_again, "Only the last head"),
        (
            "in order",
            _ablate(
                lambda z, heads: _put(_of_heads, lambda z, h: _means(z, sorted(h)))(z, list(heads))
            ),
            "need not be in order",
        ),
        (
            "sum",
            _ablate(_put(_of_heads, lambda z, h: z[:, :, h].sum((0, 1), keepdim=True))),
            "take the mean",
        ),
        (
            "taken off",
            _ablate(_put(_of_heads, lambda z, h: z[:, :, h] - _means(z, h))),
            "taken off",
        ),
        (
            "mean of all heads",
            _ablate(_put(_of_heads, lambda z, h: _means(z, h).mean(2, True))),
            "one mean",
        ),
        ("the chosen alone", lambda z, heads: mean_ablate(z, heads)[:, :, heads], "have shape"),
    ],
    "copying_score": [
        (
            "columns",
            _copy(lambda E, V, P, U: composition.copying_score(U.T, P.T, V.T, E.T)),
            "Rows and columns are swapped",
        ),
        (
            "no head",
            _copy(
                lambda E, V, P, U: composition.copying_score(
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
            _copy(lambda E, V, P, U: composition.copying_score(E, V, P, U) * 6 / 7),
            "other",
        ),
        ("factors swapped", _copy(lambda E, V, P, U: E @ P @ V @ U), "wrong order"),
        ("signs lost", _copy(lambda E, V, P, U: _beaten((E @ V @ P @ U).abs()).mean()), "sign"),
        ("one for each", _copy(lambda E, V, P, U: _beaten(E @ V @ P @ U)), "average them"),
        (
            "counts",
            _copy(lambda E, V, P, U: _beaten(E @ V @ P @ U).mean() * (len(E) - 1)),
            "not a share",
        ),
        ("sum", _copy(lambda E, V, P, U: _beaten(E @ V @ P @ U).sum()), "sum over tokens"),
        ("turned round", _copy(lambda E, V, P, U: 1 - _beaten(E @ V @ P @ U).mean()), "turn it"),
        ("diagonal", _copy(lambda E, V, P, U: (E @ V @ P @ U).diagonal().mean()), "the diagonal"),
        ("all rows", _copy(_all_rows), "compare within its row"),
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
        ("sum of norms", _compose(_right_product, lambda OV, QK: _norm(OV) + _norm(QK)), "the sum"),
        ("entry by entry", _compose(lambda OV, QK: QK * OV.mT), "`*` does not"),
        ("squared", lambda OV, QK: composition.k_composition(OV, QK) ** 2, "squared"),
        ("largest singular value", _of_order(2), "largest singular value"),
        ("nuclear norm", _of_order("nuc"), "sum of the singular values"),
        ("mean of the stack", lambda OV, QK: composition.k_composition(OV, QK).mean(), "keep them"),
        ("a stack of one", lambda OV, QK: composition.k_composition(OV, QK).squeeze(), "its axis"),
        (
            "first of a stack",
            lambda OV, QK: composition.k_composition(OV.view(-1, 4, 4)[0], QK),
            "Only the first head",
        ),
    ],
}


def _repeat_row_by_row(seq_len, *, batch, d_vocab, bos, n_special, generator):
    rows = []
    for _ in range(batch):
        ids = [
            int(torch.randint(n_special, d_vocab, (), generator=generator)) for _ in range(seq_len)
        ]
        rows.append([bos, *ids, *ids])
    return torch.tensor(rows)


def _repeat_by_rand(seq_len, *, batch, d_vocab, bos, n_special, generator):
    share = torch.rand(batch, seq_len, generator=generator)
    half = n_special + (share * (d_vocab - n_special)).long()
    return F.pad(half.repeat(1, 2), (1, 0), value=bos)


def _loss_by_cross_entropy(logits, tokens):
    loss = F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
    L = tokens.shape[1] // 2
    return torch.stack([loss[:, :L].mean(), loss[:, L + 1 :].mean()])


def _loss_by_numpy(logits, tokens):
    x, ids = logits.double().numpy(), tokens.numpy()
    losses = (
        np.log(np.exp(x).sum(-1))[:, :-1]
        - np.take_along_axis(x[:, :-1], ids[:, 1:, None], axis=2)[..., 0]
    )
    L = (ids.shape[1] - 1) // 2
    return [losses[:, :L].mean(), losses[:, L + 1 :].mean()]


def _previous_by_loop(pattern):
    n = pattern.shape[-1]
    scores = [
        sum(pattern[:, h, q, q - 1].mean() for q in range(1, n)) / (n - 1)
        for h in range(pattern.shape[1])
    ]
    return torch.stack(scores)


def _previous_by_einsum(pattern):
    return torch.einsum("bhii->h", pattern[:, :, 1:, :-1]) / (
        pattern.shape[0] * (pattern.shape[-1] - 1)
    )


def _induction_in_the_repeat(pattern, seq_len):
    """Without the two entries of the stripe that stand before the repeat."""
    q = torch.arange(seq_len + 1, 2 * seq_len + 1)
    return pattern[:, :, q, q - seq_len + 1].mean((0, 2))


def _induction_by_mask(pattern, seq_len):
    n = pattern.shape[-1]
    mask = torch.arange(n)[None, :] - torch.arange(n)[:, None] == 1 - seq_len
    return pattern[..., mask].mean(-1).mean(0)


def _ablate_by_where(z, heads):
    chosen = torch.zeros(z.shape[2], dtype=torch.bool)
    chosen[heads] = True
    return torch.where(chosen[:, None], z.mean((0, 1), keepdim=True), z)


def _ablate_by_loop(z, heads):
    out = z.detach().numpy().copy()
    for head in heads:
        out[:, :, head] = out[:, :, head].mean((0, 1))
    return torch.from_numpy(out)


def _copying_by_loop(W_E, W_V, W_O, W_U):
    shares = []
    for i, embedding in enumerate(W_E):
        row = (embedding @ W_V @ W_O @ W_U).softmax(-1).tolist()
        shares.append(sum(x < row[i] for x in row) / (len(row) - 1))
    return sum(shares) / len(shares)


def _copying_by_rank(W_E, W_V, W_O, W_U):
    ranks = (W_E @ (W_V @ W_O) @ W_U).argsort(-1).argsort(-1).diagonal()
    return ranks.double().mean() / (len(W_E) - 1)


def _composition_by_loop(W_OV, W_QK):
    if W_OV.ndim == 2:
        return ((W_QK @ W_OV.T).norm() / (W_OV.norm() * W_QK.norm())).item()
    return torch.tensor([_composition_by_loop(each, W_QK) for each in W_OV])


def _composition_by_einsum(W_OV, W_QK):
    product = torch.einsum("qk,...ok->...qo", W_QK, W_OV)
    norms = [x.square().sum((-2, -1)).sqrt() for x in (product, W_OV, W_QK)]
    return norms[0] / norms[1] / norms[2]


RIGHT = {
    "repeated_tokens": [("row by row", _repeat_row_by_row), ("rand", _repeat_by_rand)],
    "loss_by_half": [
        ("cross_entropy, a tensor", _loss_by_cross_entropy),
        ("numpy, a list", _loss_by_numpy),
        ("tensors without axes", _losses(_right_cut, lambda loss: loss.mean())),
    ],
    "previous_token_scores": [("a loop", _previous_by_loop), ("einsum", _previous_by_einsum)],
    "induction_scores": [
        ("in the repeat alone", _induction_in_the_repeat),
        ("a mask", _induction_by_mask),
    ],
    "mean_ablate": [("where", _ablate_by_where), ("a loop, numpy", _ablate_by_loop)],
    "copying_score": [
        ("a loop over probabilities", _copying_by_loop),
        ("ranks", _copying_by_rank),
    ],
    "k_composition": [
        ("a loop, a float", _composition_by_loop),
        ("einsum", _composition_by_einsum),
    ],
}
