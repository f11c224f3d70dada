"""Answers to lesson 5.1: the library's versions, and plausible mistakes."""

import torch


def _places(*, at=0, number=True, label=lambda words, i: None, last=True):
    def bracket_places(words):
        found = []
        for i, word in enumerate(words):
            behind = words[i - 1].isdigit() or not number
            if word == "(" and behind and (last or i + 1 < len(words)):
                found.append((i + at, label(words, i)))
        return found

    return bracket_places


def _is_target(words, i):
    return words[i - 1] == words[words.index("make") + 1]


def _holds_target(words, i):
    return words[words.index("make") + 1] in words[i - 1]


def _from_the_header(words):
    places = _places(label=_is_target)(words)
    return [(i - words.index(":") - 1, hit) for i, hit in places]


def _said(words, i):
    return i + 1 < len(words) and words[i + 1] == "this"


def _push(answer):
    def verdict_push(direction, norm_weight, W_U, *, yes, no):
        def gap(vector):
            logits = vector @ W_U
            return logits[list(yes)].mean() - logits[list(no)].mean()

        unit = direction / direction.norm()
        return answer(direction, unit, norm_weight, gap, W_U, list(yes), list(no))

    return verdict_push


def _softmax(d, u, w, gap, W_U, yes, no):
    p = ((u * w) @ W_U).softmax(-1)
    return p[yes].mean() - p[no].mean()


def _logsumexp(d, u, w, gap, W_U, yes, no):
    logits = (u * w) @ W_U
    return logits[yes].logsumexp(0) - logits[no].logsumexp(0)


def _sums(d, u, w, gap, W_U, yes, no):
    logits = (u * w) @ W_U
    return logits[yes].sum() - logits[no].sum()


def _cosines(weights, *, value=True, direct=True):
    def alignment(model, direction):
        each = weights(model)
        dots = each @ direction
        dots = dots / each.norm(dim=-1) if value else dots
        return dots / direction.norm() if direct else dots

    return alignment


def _right(model, direction):
    return torch.nn.functional.cosine_similarity(model.W_out, direction, dim=-1)


def _put(new=lambda states, old: states, *, head=lambda h: h, shift=0, clone=True):
    def put_head(z, h, text, pos, states):
        z = z.clone() if clone else z
        at = (text, pos + shift, head(h))
        z[at] = new(states, z[at])
        return z

    return put_head


def _put_lost(z, head, text, pos, states):
    z = z.clone()
    z[text, pos][:, head] = states
    return z


def _put_everywhere(axis):
    def put_head(z, head, text, pos, states):
        z = z.clone()
        if axis == "pos":
            z[text, :, head] = states[:, None]
        else:
            z[:, pos, head] = states
        return z

    return put_head


def _rms(table, ov):
    return table.norm() / ov.norm() / table.shape[-1] ** 0.5


MISTAKES = {
    "bracket_places": [
        ("the result", _places(at=-1, label=_is_target), "positions of the results"),
        ("the verdict", _places(at=1, label=_is_target), "positions of the verdicts"),
        ("what the model said", _places(label=_said), "*said*"),
        ("any bracket", _places(number=False, label=_is_target), "after a word"),
        ("no open end", _places(label=_is_target, last=False), "last bracket is missing"),
        ("part of a word", _places(label=lambda w, i: w[i - 1] in "15"), "whole words"),
        ("second word", _places(label=lambda w, i: w[i - 1] == w[2]), "begin with fillers"),
        ("turned round", _places(label=lambda w, i: not _is_target(w, i)), "turned round"),
        ("target in result", _places(label=_holds_target), "part of 15"),
        (
            "hits alone",
            lambda w: [p for p in _places(label=_is_target)(w) if p[1]],
            "Only the hits",
        ),
        ("int with str", _places(label=lambda w, i: int(w[i - 1]) == "15"), "never equals"),
        ("from the header", _from_the_header, "from the first word"),
        ("nothing", lambda words: [], "No bracket was"),
    ],
    "verdict_push": [
        ("no norm weight", _push(lambda d, u, w, gap, *_: gap(u)), "weight is missing"),
        ("own length", _push(lambda d, u, w, gap, *_: gap(d * w)), "own length"),
        (
            "scaled after",
            _push(lambda d, u, w, gap, *_: gap(d * w / (d * w).norm())),
            "after the norm's weight",
        ),
        ("neither", _push(lambda d, u, w, gap, *_: gap(d)), "Both are missing"),
        ("logsumexp", _push(_logsumexp), "logsumexp"),
        ("sums", _push(_sums), "take means"),
        (
            "yes alone",
            _push(lambda d, u, w, gap, W_U, yes, no: ((u * w) @ W_U)[yes].mean()),
            "Only yes",
        ),
        ("softmax", _push(_softmax), "softmax"),
        ("sign", _push(lambda d, u, w, gap, *_: -gap(u * w)), "turned round"),
        ("divided", _push(lambda d, u, w, gap, *_: gap(u / w)), "You divided"),
    ],
    "alignment": [
        ("dot", _cosines(lambda m: m.W_out, value=False, direct=False), "dot products"),
        ("no neuron length", _cosines(lambda m: m.W_out, value=False), "neurons' lengths"),
        ("no direction length", _cosines(lambda m: m.W_out, direct=False), "direction's length"),
        (
            "squares",
            lambda m, d: m.W_out @ d / m.W_out.norm(dim=-1) ** 2 / d.norm() ** 2,
            "squares",
        ),
        ("W_in", _cosines(lambda m: m.W_in.mT), "W_in"),
        ("W_gate", _cosines(lambda m: m.W_gate.mT), "W_gate"),
        ("size", lambda m, d: _right(m, d).abs(), "signs are lost"),
        ("transposed", lambda m, d: _right(m, d).T, "exchanged"),
        (
            "one length a layer",
            lambda m, d: m.W_out @ d / m.W_out.norm(dim=(1, 2))[:, None] / d.norm(),
            "length of its own",
        ),
    ],
    "attention_between": [
        ("pairs first", lambda p, t, q, k: p[t, :, q, k], "exchanged: [head, pair]"),
        ("turned round", lambda p, t, q, k: p[t, :, k, q].T, "Query and key"),
        (
            "pair for text",
            lambda p, t, q, k: torch.stack(
                [p[min(i, len(p) - 1), :, q[i], k[i]] for i in range(len(t))], dim=1
            ),
            "pair's number",
        ),
        ("mean", lambda p, t, q, k: p[t, :, q, k].mean(0), "mean over pairs"),
        ("too early", lambda p, t, q, k: p[t, :, q - 1, k].T, "too early"),
        ("row", lambda p, t, q, k: p[t, :, q].permute(1, 0, 2), "whole row"),
        (
            "every pair",
            lambda p, t, q, k: p[t][:, :, q][..., k].permute(1, 0, 2, 3),
            "every pair",
        ),
    ],
    "drive": [
        ("turned round", lambda ov, f: _rms(ov.T @ f, ov), "wrong way round"),
        ("size left", lambda ov, f: _rms(ov @ f, ov) * ov.norm(), "size is still in"),
        ("sum", lambda ov, f: (ov @ f).norm() / ov.norm(), "number of neurons"),
        ("by n", lambda ov, f: (ov @ f).norm() / ov.norm() / 3, "by its root"),
        ("mean length", lambda ov, f: (ov @ f).norm(dim=0).mean() / ov.norm(), "mean length"),
        (
            "spectral",
            lambda ov, f: _rms(ov @ f, ov) * ov.norm() / torch.linalg.matrix_norm(ov, 2),
            "Frobenius",
        ),
        ("mean field", lambda ov, f: (ov @ f.mean(1)).norm() / ov.norm(), "cancel"),
        ("diagonal", lambda ov, f: _rms((f * (ov @ f)).sum(0), ov), "only the diagonal"),
        ("square", lambda ov, f: _rms(ov @ f, ov) ** 2, "mean square: take"),
        ("one each", lambda ov, f: (ov @ f).norm(dim=0) / ov.norm(), "each neuron"),
        ("entries", lambda ov, f: (ov @ f).square().mean().sqrt() / ov.norm(), "all entries"),
    ],
    "diagonal_drive": [
        ("full", lambda ov, f: _rms(ov @ f, ov), "full drive"),
        ("all pairs", lambda ov, f: _rms(f.T @ ov @ f, ov), "All pairs"),
        (
            "own coordinates",
            lambda ov, f: ov.diagonal().norm() / ov.norm() / f.shape[1] ** 0.5,
            "own coordinates",
        ),
        ("mean", lambda ov, f: (f * (ov @ f)).sum(0).mean() / ov.norm(), "cancel"),
        ("mean size", lambda ov, f: (f * (ov @ f)).sum(0).abs().mean() / ov.norm(), "the sizes"),
        (
            "size left",
            lambda ov, f: _rms((f * (ov @ f)).sum(0), ov) * ov.norm(),
            "size is still in",
        ),
        ("sum", lambda ov, f: (f * (ov @ f)).sum(0).norm() / ov.norm(), "number of neurons"),
        ("one each", lambda ov, f: (f * (ov @ f)).sum(0) / ov.norm(), "each neuron"),
        (
            "no root",
            lambda ov, f: (f * (ov @ f)).sum(0).square().mean() / ov.norm(),
            "root is missing",
        ),
    ],
    "put_head": [
        ("all heads", _put(lambda s, old: s[:, None], head=lambda h: slice(None)), "All heads"),
        ("added", _put(lambda s, old: old + s), "You added"),
        ("one too low", _put(head=lambda h: h - 1), "one too low"),
        ("first", _put(lambda s, old: s[0].expand_as(s)), "first state"),
        ("mean", _put(lambda s, old: s.mean(0).expand_as(s)), "mean of the states"),
        ("too early", _put(shift=-1), "too early"),
        ("swapped", lambda z, h, text, pos, s: _put()(z, h, pos, text, s), "exchanged"),
        ("all positions", _put_everywhere("pos"), "Every position"),
        ("all texts", _put_everywhere("text"), "in *all* texts"),
        ("positions alone", lambda z, h, text, pos, states: states, "return all"),
        ("lost", _put_lost, "unchanged"),
        ("in place", _put(clone=False), "clone it"),
    ],
}
