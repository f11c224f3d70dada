"""Answers to lesson 5.2: the library's versions, and plausible mistakes."""

import numpy as np
import torch

from utils.cases import thinking


def _share(answer):
    def continue_share(logits, comma, stop):
        p = logits.softmax(-1)
        return answer(logits[..., comma], logits[..., stop], p[..., comma], p[..., stop])

    return continue_share


def _text(answer):
    def checked_again(header, tried, said=("this", "works")):
        return answer(header, tried, list(said))

    return checked_again


def _in_place(header, tried, said=("this", "works")):
    header += [*tried, "(", *said, ")", ",", "check", *tried, "("]
    return header


def _joined(header, tried, said=("this", "works")):
    return header + tried + ["("] + said + [")", ",", "check"] + tried + ["("]


def _nested(header, tried, said=("this", "works")):
    return [*header, tried, "(", said, ")", ",", "check", tried, "("]


def _added(answer):
    def add_at_token(resid, tokens, vector, token):
        return answer(resid, (tokens == token)[..., None], vector)

    return add_at_token


def _added_in_place(resid, tokens, vector, token):
    resid += (tokens == token)[..., None] * vector
    return resid


def _at_position(resid, tokens, vector, token):
    resid = resid.clone()
    resid[:, token : token + 1] += vector
    return resid


def _at_the_end(resid, tokens, vector, token):
    resid = resid.clone()
    resid[:, -1] += (tokens[:, -1] == token)[:, None] * vector
    return resid


def _at_close(resid, tokens, vector, token):
    return resid + (tokens == thinking.CLOSE)[..., None] * vector


def _first_row(resid, tokens, vector, token):
    resid = resid.clone()
    resid[:, (tokens[0] == token).nonzero()[:, 0]] += vector
    return resid


def _read(answer, *, shift=1, begin=0, values=lambda logits: logits.log_softmax(-1)):
    def continuation_log_probs(logits, tokens, start):
        first = start + begin
        here = values(logits)[:, first - shift : tokens.shape[1] - shift]
        return answer(here.gather(-1, tokens[:, first:, None])[..., 0])

    return continuation_log_probs


def _given_too(logits, tokens, start):
    here = logits.log_softmax(-1)[:, :-1]
    return here.gather(-1, tokens[:, 1:, None])[..., 0].sum(1)


def _received(answer, *, later=lambda begin, end: slice(end, None)):
    def received_attention(pattern, spans):
        found = []
        for begin, end in spans:
            rows = pattern[later(begin, end)]
            found.append(answer(rows, rows[:, begin:end], pattern, begin, end))
        return torch.stack([each.reshape(()) for each in found])

    return received_attention


def _mean(values):
    return values.sum(1).mean() if len(values) else torch.zeros(())


def _ones(resid, n):
    return (torch.arange(len(resid)) < n)[:, None, None]


def _of_one_puzzle(said):
    begin = ["now", "make", "15", "from", "12", "7", ":", "12", "+", "7", "=", "19", "("]
    return [*begin, *said, ")", ",", "check", *begin[7:]]


def _two_spans(pattern, spans):
    found = torch.zeros(min(2, len(spans)))
    for i, (begin, end) in enumerate(spans[:2]):
        found[i] = _mean(pattern[end:, begin:end])
    return found


MISTAKES = {
    "continue_share": [
        ("stop", _share(lambda c, s, pc, ps: (s - c).sigmoid()), "which of the two goes on"),
        ("among all", _share(lambda c, s, pc, ps: pc), "among all words"),
        ("logits", _share(lambda c, s, pc, ps: c / (c + s)), "exponentiate"),
        ("difference", _share(lambda c, s, pc, ps: c - s), "into a share"),
        ("odds", _share(lambda c, s, pc, ps: pc / ps), "odds"),
        ("difference of two", _share(lambda c, s, pc, ps: pc - ps), "two probabilities"),
        (
            "other tokens",
            lambda x, c, s: (x[..., thinking.COMMA] - x[..., thinking.STOP]).sigmoid(),
            "numbers that are given",
        ),
        (
            "sigmoid of each",
            _share(lambda c, s, pc, ps: c.sigmoid() / (c.sigmoid() + s.sigmoid())),
            "sigmoid of each",
        ),
        ("not the end", _share(lambda c, s, pc, ps: 1 - ps), "anything but"),
        (
            "logs",
            _share(lambda c, s, pc, ps: pc.log() / (pc.log() + ps.log())),
            "divided log probabilities",
        ),
        ("last", _share(lambda c, s, pc, ps: (c - s).sigmoid()[:, -1]), "last position"),
        ("yes or no", _share(lambda c, s, pc, ps: (c > s).float()), "yes or no"),
        ("log", _share(lambda c, s, pc, ps: (c - s).sigmoid().log()), "log of the share"),
        ("three axes", lambda x, c, s: (x[:, :, c] - x[:, :, s]).sigmoid(), "IndexError"),
    ],
    "checked_again": [
        (
            "no bracket",
            _text(lambda h, t, s: [*h, *t, "(", *s, ")", ",", "check", *t]),
            "ends before the bracket",
        ),
        (
            "second verdict",
            _text(lambda h, t, s: [*h, *t, "(", *s, ")", ",", "check", *t, "(", *s, ")"]),
            "yourself",
        ),
        (
            "no comma",
            _text(lambda h, t, s: [*h, *t, "(", *s, ")", "check", *t, "("]),
            "comma before",
        ),
        (
            "no check",
            _text(lambda h, t, s: [*h, *t, "(", *s, ")", ",", *t, "("]),
            "a new try",
        ),
        (
            "not closed",
            _text(lambda h, t, s: [*h, *t, "(", *s, ",", "check", *t, "("]),
            "never closed",
        ),
        ("no brackets", _text(lambda h, t, s: [*h, *t, *s, ",", "check", *t, "("]), "in brackets"),
        (
            "header twice",
            _text(lambda h, t, s: [*h, *t, "(", *s, ")", ",", "check", *h, *t, "("]),
            "stands once",
        ),
        ("no header", _text(lambda h, t, s: [*t, "(", *s, ")", ",", "check", *t, "("]), "all of"),
        (
            "not said",
            _text(lambda h, t, s: [*h, *t, "(", "not", t[-1], ")", ",", "check", *t, "("]),
            "Word 13",
        ),
        (
            "always a success",
            _text(
                lambda h, t, s: [*h, *t, "(", "this", "works", ")", ",", "check", *t, "("],
            ),
            "put in it what `said` has",
        ),
        (
            "comma joined",
            _text(lambda h, t, s: [*h, *t, "(", *s, ")", ", check", *t, "("]),
            "stand alone",
        ),
        ("nested", _nested, "flat list"),
        ("in place", _in_place, "changes its input `header`"),
        ("lists joined", _joined, "TypeError"),
        ("this puzzle", _text(lambda h, t, s: _of_one_puzzle(s)), "another puzzle"),
        (
            "no default",
            lambda h, t, said=("yes",): thinking.checked_again(h, t, said=said),
            "stays `this works`",
        ),
        (
            "one text",
            _text(lambda h, t, s: " ".join([*h, *t, "(", *s, ")", ",", "check", *t, "("])),
            "flat list",
        ),
    ],
    "add_at_token": [
        ("everywhere", _added(lambda r, m, v: r + v), "everywhere: only"),
        ("elsewhere", _added(lambda r, m, v: r + ~m * v), "*but* at"),
        ("replaced", _added(lambda r, m, v: torch.where(m, v, r)), "replaced"),
        ("one later", _added(lambda r, m, v: r + m.roll(1, 1) * v), "one token later"),
        ("whole row", _added(lambda r, m, v: r + m.any(1, keepdim=True) * v), "whole row"),
        (
            "first one",
            _added(lambda r, m, v: r + (m & (m.int().cumsum(1) == 1)) * v),
            "first one of each row",
        ),
        ("first row", _first_row, "positions of the first row"),
        ("a place", _at_position, "neither a position"),
        ("one earlier", _added(lambda r, m, v: r + m.roll(-1, 1) * v), "one token too early"),
        ("subtracted", _added(lambda r, m, v: r - m * v), "took the vector away"),
        ("push alone", _added(lambda r, m, v: m * v), "push alone"),
        ("last position", _at_the_end, "last position only"),
        (
            "all but the last",
            _added(lambda r, m, v: torch.cat([r[:, :-1] + m[:, :-1] * v, r[:, -1:]], 1)),
            "left the last position out",
        ),
        ("first two rows", _added(lambda r, m, v: r + m * v * _ones(r, 2)), "by hand"),
        ("always )", _at_close, "always that of"),
        ("multiplied", _added(lambda r, m, v: (r + v) * m), "is gone"),
        ("in place", _added_in_place, "changes its input `resid`"),
    ],
    "continuation_log_probs": [
        ("own place", _read(lambda x: x.sum(1), shift=0), "at its own position"),
        ("one late", _read(lambda x: x.sum(1), begin=1), "too late"),
        ("one early", _read(lambda x: x.sum(1), begin=-1), "too early"),
        ("given too", _given_too, "given tokens too"),
        ("mean", _read(lambda x: x.mean(1)), "mean over the tokens"),
        ("probabilities", _read(lambda x: x.exp().sum(1)), "summed probabilities"),
        ("exp", _read(lambda x: x.sum(1).exp()), "last `exp`"),
        ("logits", _read(lambda x: x.sum(1), values=lambda x: x), "log_softmax"),
        ("one number", _read(lambda x: x.sum()), "over rows as well"),
        ("last left out", _read(lambda x: x[:, :-1].sum(1)), "one token too early"),
        (
            "over positions",
            _read(lambda x: x.sum(1), values=lambda x: x.log_softmax(1)),
            "over positions",
        ),
        ("not summed", _read(lambda x: x), "sum over the continuation"),
        ("sign", _read(lambda x: -x.sum(1)), "turned round"),
        (
            "the last two",
            lambda logits, tokens, start: _read(lambda x: x.sum(1))(logits, tokens, 3),
            "last two tokens",
        ),
        ("squeezed", _read(lambda x: x.sum(1).squeeze()), "of 1 rows"),
    ],
    "importance": [
        (
            "same ones in",
            lambda k, r, d: k.float().mean() - r.float().mean(),
            "drew the same step again are in",
        ),
        ("same ones", lambda k, r, d: k.float().mean() - r[~d].float().mean(), "left out those"),
        ("sign", lambda k, r, d: r[d].float().mean() - k.float().mean(), "turned round"),
        (
            "divided by all",
            lambda k, r, d: k.float().mean() - (r & d).float().mean(),
            "divided by all",
        ),
        (
            "size",
            lambda k, r, d: (k.float().mean() - r[d].float().mean()).abs(),
            "can do harm",
        ),
        ("counts", lambda k, r, d: k.sum() - r[d].sum(), "difference of counts"),
        ("kept", lambda k, r, d: k.float().mean(), "without it"),
        ("how often", lambda k, r, d: k.float().mean() - d.float().mean(), "how *often*"),
        ("bools", lambda k, r, d: k.mean() - r[d].mean(), "`.float()`"),
        ("ratio", lambda k, r, d: k.float().mean() / r[d].float().mean(), "divided one chance"),
        (
            "numbers for an index",
            lambda k, r, d: k.float().mean() - r[d.long()].float().mean(),
            "do not turn it into numbers",
        ),
        (
            "relu",
            lambda k, r, d: (k.float().mean() - r[d].float().mean()).clamp(min=0),
            "cut off",
        ),
        (
            "percent",
            lambda k, r, d: 100 * (k.float().mean() - r[d].float().mean()),
            "by hand",
        ),
        ("both filtered", lambda k, r, d: k[d].float().mean() - r[d].float().mean(), "IndexError"),
    ],
    "received_attention": [
        ("mean", _received(lambda q, own, p, b, e: own.mean()), "mean over the span's tokens"),
        ("sum", _received(lambda q, own, p, b, e: own.sum()), "an early step would win"),
        (
            "own",
            _received(lambda q, own, p, b, e: _mean(own), later=lambda b, e: slice(b, None)),
            "attention to itself",
        ),
        (
            "all",
            _received(lambda q, own, p, b, e: _mean(own), later=lambda b, e: slice(None)),
            "cannot see the span",
        ),
        ("turned", _received(lambda q, own, p, b, e: _mean(p.T[e:, b:e])), "exchanged"),
        ("given", _received(lambda q, own, p, b, e: _mean(p[b:e, :b])), "attention a step gives"),
        ("over all", _received(lambda q, own, p, b, e: own.sum() / len(p)), "divided by all"),
        (
            "late",
            _received(lambda q, own, p, b, e: _mean(own), later=lambda b, e: slice(e + 1, None)),
            "left the first token",
        ),
        ("closed", _received(lambda q, own, p, b, e: _mean(q[:, b : e + 1])), "key behind"),
        ("last row", _received(lambda q, own, p, b, e: _mean(own[-1:])), "last token alone"),
        (
            "most",
            _received(lambda q, own, p, b, e: own.sum(1).max() if len(own) else own.sum()),
            "attends most",
        ),
        ("first key", _received(lambda q, own, p, b, e: _mean(own[:, :1])), "first token alone"),
        (
            "last key",
            _received(lambda q, own, p, b, e: _mean(own[:, -1:])),
            "span's last token alone",
        ),
        ("nan", _received(lambda q, own, p, b, e: own.sum(1).mean()), "a nan"),
        ("two spans", lambda p, spans: _two_spans(p, spans), "of three spans"),
    ],
}


def _by_append(header, tried, said=("this", "works")):
    words = list(header)
    for part in (tried, "(", said, [")", ",", "check"], tried, "("):
        words.extend(part if not isinstance(part, str) else [part])
    return words


def _added_by_loop(resid, tokens, vector, token):
    out = resid.detach().clone()
    for row in range(tokens.shape[0]):
        for pos in range(tokens.shape[1]):
            if int(tokens[row, pos]) == token:
                out[row, pos] = out[row, pos] + vector
    return out


def _added_by_mask(resid, tokens, vector, token):
    out = resid.clone()
    out[tokens == token] += vector
    return out


def _importance_by_count(kept, resampled, differs):
    other = [r for r, d in zip(resampled.tolist(), differs.tolist(), strict=True) if d]
    return sum(kept.tolist()) / len(kept) - sum(other) / len(other)


def _continued_by_loop(logits, tokens, start):
    found = []
    for row, words in zip(logits, tokens, strict=True):
        at = [row[i - 1].log_softmax(0)[words[i]] for i in range(start, len(words))]
        found.append(float(sum(at)))
    return torch.tensor(found)


def _continued_by_loss(logits, tokens, start):
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none"
    )
    return -loss[:, start - 1 :].sum(1)


def _received_by_loop(pattern, spans):
    found, n = torch.zeros(len(spans)), len(pattern)
    for i, (begin, end) in enumerate(spans):
        for query in range(end, n):
            found[i] += pattern[query, begin:end].sum() / (n - end)
    return found


def _received_by_sums(pattern, spans):
    upto = np.pad(pattern.double().numpy().cumsum(1), ((0, 0), (1, 0)))
    rows = [(upto[end:, end] - upto[end:, begin]) for begin, end in spans]
    return torch.tensor([row.mean() if len(row) else 0.0 for row in rows])


RIGHT = {
    "continue_share": [
        ("softmax of two", lambda x, comma, stop: x[..., [comma, stop]].softmax(-1)[..., 0]),
        ("among all, divided", _share(lambda c, s, pc, ps: pc / (pc + ps))),
        ("exp", lambda x, comma, stop: 1 / (1 + torch.exp(x[..., stop] - x[..., comma]))),
        (
            "arrays",
            lambda x, comma, stop: (
                torch.from_numpy(1 / (1 + np.exp(x.numpy()[..., stop] - x.numpy()[..., comma])))
                if x.ndim > 1
                else float((x[comma] - x[stop]).sigmoid())
            ),
        ),
    ],
    "checked_again": [
        ("appended", _by_append),
        (
            "a tuple",
            lambda header, tried, said=("this", "works"): (
                *(*header, *tried, "(", *said, ")"),
                *(",", "check", *tried, "("),
            ),
        ),
        (
            "one text, split",
            lambda header, tried, said=("this", "works"): (
                f"{' '.join(header)} {' '.join(tried)} ( {' '.join(said)} ) , "
                f"check {' '.join(tried)} ("
            ).split(),
        ),
    ],
    "add_at_token": [
        ("loops over a detached copy", _added_by_loop),
        ("boolean index", _added_by_mask),
        ("where", _added(lambda r, m, v: torch.where(m, r + v, r))),
        (
            "einsum",
            lambda resid, tokens, vector, token: (
                resid + torch.einsum("bh,d->bhd", tokens.eq(token).to(resid), vector)
            ),
        ),
    ],
    "importance": [
        ("counts, a float", _importance_by_count),
        ("weighted", lambda k, r, d: k.double().mean() - (r & d).sum() / d.sum()),
        ("arrays", lambda k, r, d: k.numpy().mean() - r.numpy()[d.numpy()].mean()),
    ],
    "continuation_log_probs": [
        ("loops", _continued_by_loop),
        ("cross-entropy", _continued_by_loss),
        (
            "one-hot",
            lambda logits, tokens, start: torch.einsum(
                "rpv,rpv->r",
                logits.softmax(-1).log()[:, start - 1 : -1],
                torch.nn.functional.one_hot(tokens[:, start:], logits.shape[-1]).to(logits),
            ),
        ),
    ],
    "received_attention": [
        ("loops", _received_by_loop),
        ("running sums in arrays", _received_by_sums),
    ],
}
