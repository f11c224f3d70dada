"""Answers to lesson 5.1: the library's versions, and plausible mistakes."""

import numpy as np
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


def _likeliest(d, u, w, gap, W_U, yes, no):
    logits = (u * w) @ W_U
    return logits[yes].max() - logits[no].max()


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


def _put_crossed(z, head, text, pos, states):
    z = z.clone()
    for t in text:
        for p, state in zip(pos, states, strict=True):
            z[t, p, head] = state
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
        (
            "up to the first hit",
            lambda w: (p := _places(label=_is_target)(w))[: [hit for _, hit in p].index(True) + 1],
            "stopped at the first hit",
        ),
        (
            "one of the numbers",
            _places(label=lambda w, i: w[i - 1] in w[: w.index(":")]),
            "one of the puzzle's numbers",
        ),
        ("always 15", _places(label=lambda w, i: w[i - 1] == "15"), "of this text is 5"),
        (
            "not after check",
            lambda w: [
                (i, w[i - 1] == w[w.index("make") + 1])
                for i in range(len(w))
                if w[i] == "(" and w[i - 1] != "check"
            ],
            "bracket after `=`",
        ),
        ("fourth word", _places(label=lambda w, i: w[i - 1] == w[3]), "wherever that stands"),
        ("in place", lambda w: w.reverse(), "changes its input"),
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
        ("divided", _push(lambda d, u, w, gap, *_: gap(u / w)), "You divided by the norm's"),
        ("size", _push(lambda d, u, w, gap, *_: gap(u * w).abs()), "sign is lost"),
        ("relu", _push(lambda d, u, w, gap, *_: gap(u * w).relu()), "cut off"),
        ("sizes of entries", _push(lambda d, u, w, gap, *_: gap(u.abs() * w)), "entries are lost"),
        (
            "sum for length",
            _push(lambda d, u, w, gap, *_: gap(d / d.abs().sum() * w)),
            "is its `norm()`",
        ),
        ("likeliest", _push(_likeliest), "likeliest word"),
        (
            "two and three words",
            _push(
                lambda d, u, w, gap, W_U, yes, no: (
                    ((u * w) @ W_U)[yes].sum() / 2 - ((u * w) @ W_U)[no].sum() / 3
                )
            ),
            "by hand",
        ),
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
        ("relu", lambda m, d: _right(m, d).relu(), "cut off"),
        (
            "dimensions",
            lambda m, d: m.W_out @ d / m.W_out.norm(dim=-1) / len(d),
            "number of dimensions",
        ),
        (
            "best is 1",
            lambda m, d: _right(m, d) / _right(m, d).amax(-1, keepdim=True),
            "best neuron 1",
        ),
        (
            "numpy without detach",
            lambda m, d: torch.from_numpy(m.W_out.numpy() @ d.numpy()),
            "RuntimeError",
        ),
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
        ("first text", lambda p, t, q, k: p[0][:, q, k], "from the first text"),
        ("mean text", lambda p, t, q, k: p.mean(0)[:, q, k], "mean over texts"),
        ("squeezed", lambda p, t, q, k: p[t, :, q, k].T.squeeze(), "axis of pairs is lost"),
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
        (
            "wrong axis",
            lambda ov, f: (ov @ f).norm(dim=1).square().mean().sqrt() / ov.norm(),
            "wrong axis",
        ),
        ("longest", lambda ov, f: (ov @ f).norm(dim=0).max() / ov.norm(), "the longest"),
        ("sum of sizes", lambda ov, f: _rms(ov @ f, ov) * ov.norm() / ov.abs().sum(), "Frobenius"),
        ("three neurons", lambda ov, f: (ov @ f).norm() / ov.norm() / 3**0.5, "one neuron"),
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
        ("sum first", lambda ov, f: (f * (ov @ f)).sum().abs() / ov.norm() / 3**0.5, "You summed"),
        ("largest", lambda ov, f: (f * (ov @ f)).sum(0).abs().max() / ov.norm(), "the largest"),
        (
            "three neurons",
            lambda ov, f: (f * (ov @ f)).sum(0).norm() / ov.norm() / 3**0.5,
            "one neuron",
        ),
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
        ("in place", _put(clone=False), "changes its input `z`"),
        ("last head", _put(head=lambda h: -1), "The last head"),
        ("crossed", _put_crossed, "in pairs"),
        ("head 2", _put(head=lambda h: 2), "head 0 changed"),
    ],
}


def _places_by_pairs(words):
    target = words[words.index("from") - 1]
    pairs = zip(words, words[1:], strict=False)
    return tuple(
        [i + 1, int(int(word) == int(target))]
        for i, (word, then) in enumerate(pairs)
        if then == "(" and word.isdecimal()
    )


def _places_by_arrays(words):
    words = np.array(words)
    at = np.flatnonzero(words == "(")
    at = at[np.char.isdigit(words[at - 1])]
    target = words[np.flatnonzero(words == "make")[0] + 1]
    return list(zip(at, words[at - 1] == target, strict=True))


def _push_by_loop(direction, norm_weight, W_U, *, yes, no):
    length = sum(float(d) ** 2 for d in direction) ** 0.5
    logits = [
        sum(
            float(d / length * w * u)
            for d, w, u in zip(direction, norm_weight, column, strict=True)
        )
        for column in W_U.T
    ]
    return sum(logits[i] for i in yes) / len(yes) - sum(logits[i] for i in no) / len(no)


def _push_by_columns(direction, norm_weight, W_U, *, yes, no):
    unit = torch.nn.functional.normalize(direction, dim=0) * norm_weight
    return torch.dot(unit, W_U[:, torch.tensor(yes)].mean(1) - W_U[:, torch.tensor(no)].mean(1))


def _cosines_by_arrays(model, direction):
    out, direction = model.W_out.detach().numpy(), direction.numpy()
    lengths = np.linalg.norm(out, axis=-1) * np.linalg.norm(direction)
    return torch.from_numpy(out @ direction / lengths)


def _cosines_by_loop(model, direction):
    return torch.stack(
        [
            torch.stack(
                [torch.dot(row, direction) / row.norm() / direction.norm() for row in layer]
            )
            for layer in model.W_out
        ]
    )


def _between_by_loop(pattern, text, query, key):
    found = torch.empty(pattern.shape[1], len(text))
    for i in range(len(text)):
        found[:, i] = pattern[text[i], :, query[i], key[i]]
    return found


def _drive_by_loop(ov, fields):
    squares = [float((ov @ field).pow(2).sum()) for field in fields.T]
    return (sum(squares) / len(squares)) ** 0.5 / float(ov.pow(2).sum()) ** 0.5


def _diagonal_by_arrays(ov, fields):
    ov, fields = ov.double().numpy(), fields.double().numpy()
    through = np.diag(fields.T @ ov @ fields)
    return np.sqrt((through**2).mean()) / np.linalg.norm(ov)


def _put_by_loop(z, head, text, pos, states):
    rows = z.detach().tolist()
    for t, p, state in zip(text.tolist(), pos.tolist(), states.tolist(), strict=True):
        rows[t][p][head] = state
    return torch.tensor(rows)


def _by_slice(z, head, text, pos, states):
    z[:, :, head][text, pos] = states
    return z


RIGHT = {
    "bracket_places": [
        ("pairs of words, in a tuple of lists", _places_by_pairs),
        ("arrays", _places_by_arrays),
    ],
    "verdict_push": [
        ("loops, a float", _push_by_loop),
        ("mean columns", _push_by_columns),
    ],
    "alignment": [
        ("arrays", _cosines_by_arrays),
        ("loops, with a gradient", _cosines_by_loop),
        (
            "einsum of normalised vectors",
            lambda m, d: torch.einsum(
                "lnd,d->ln", torch.nn.functional.normalize(m.W_out, dim=-1), d / d.norm()
            ).detach(),
        ),
    ],
    "attention_between": [
        ("loop", _between_by_loop),
        ("heads first", lambda p, t, q, k: p.transpose(0, 1)[:, t, q, k]),
        (
            "a stack of pairs",
            lambda p, t, q, k: torch.stack(
                [p[a, :, b, c] for a, b, c in zip(t, q, k, strict=True)], dim=1
            ).clone(),
        ),
    ],
    "drive": [
        ("loop, a float", _drive_by_loop),
        ("one norm", lambda ov, f: (ov @ f).norm() / ov.norm() / f.shape[1] ** 0.5),
        (
            "einsum",
            lambda ov, f: (
                (torch.einsum("de,en->nd", ov, f).pow(2).sum(1).mean() / (ov**2).sum()) ** 0.5
            ),
        ),
    ],
    "diagonal_drive": [
        ("arrays", _diagonal_by_arrays),
        (
            "the table's diagonal",
            lambda ov, f: (f.T @ ov @ f).diagonal().norm() / ov.norm() / f.shape[1] ** 0.5,
        ),
        (
            "einsum",
            lambda ov, f: torch.einsum("dn,de,en->n", f, ov, f).pow(2).mean().sqrt() / ov.norm(),
        ),
    ],
    "put_head": [
        ("loop over lists", _put_by_loop),
        (
            "index_put",
            lambda z, head, text, pos, states: z.index_put(
                (text, pos, torch.full_like(text, head)), states
            ),
        ),
        (
            "the head's slice of a detached copy",
            lambda z, head, text, pos, states: _by_slice(
                z.detach().clone(), head, text, pos, states
            ),
        ),
    ],
}
