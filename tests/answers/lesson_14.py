"""Lesson 1.4: the library's version of each exercise, and plausible wrong answers."""

import math

import torch
import torch.nn.functional as F

from utils.circuits import patches


def _put(where):
    def patch_position(activation, source, pos):
        activation = activation.clone()
        activation[where(pos)] = source[where(pos)]
        return activation

    return patch_position


def _in_place(activation, source, pos):
    activation[:, pos] = source[:, pos]
    return activation


def _answer(score, shift=1):
    def answer_log_prob(logits, tokens, n):
        end = logits.shape[1] - shift
        log_probs = logits[:, end - n : end].log_softmax(-1)
        return score(log_probs.gather(-1, tokens[:, -n:, None])[..., 0])

    return answer_log_prob


def _raw(logits, tokens, n):
    return logits[:, -n - 1 : -1].gather(-1, tokens[:, -n:, None])[..., 0].sum(1)


def _underflow(logits, tokens, n):
    probabilities = logits[:, -n - 1 : -1].softmax(-1)
    return probabilities.gather(-1, tokens[:, -n:, None])[..., 0].prod(-1).log()


def _whole(logits, tokens, n):
    return patches.answer_log_prob(logits, tokens, tokens.shape[1] - 1)


def _path(change):
    def add_along_path(inputs, *, receiver, own, source, W_O):
        inputs = inputs.clone()
        change(inputs, receiver, own @ W_O, source @ W_O)
        return inputs

    return add_along_path


def _path_in_place(inputs, *, receiver, own, source, W_O):
    inputs[:, :, receiver] += (source - own) @ W_O
    return inputs


def _add(what, where=lambda receiver: receiver):
    def change(inputs, receiver, own, source):
        inputs[:, :, where(receiver)] += what(own, source)

    return change


def _add_to_all(inputs, receiver, own, source):
    inputs += (source - own)[:, :, None]


def _replace(inputs, receiver, own, source):
    inputs[:, :, receiver] = source


def _scores(score):
    def attribution_scores(gradient, own, source):
        return score(gradient, own, source)

    return attribution_scores


def _gradient(patch, wanted=lambda vector, activation: vector):
    def patch_gradient(rest, activation, vector, pos):
        activation = activation.detach().clone()
        vector = vector.detach().clone().requires_grad_()
        patched = patch(activation, vector, pos)
        return torch.autograd.grad(rest(patched), wanted(vector, patched))[0]

    return patch_gradient


def _stand_in(activation, vector, pos):
    activation[:, pos] = vector
    return activation


def _add_in(activation, vector, pos):
    activation[:, pos] += vector
    return activation


def _through_data(activation, vector, pos):
    activation[:, pos] = vector.data
    return activation + 0 * vector.sum()


def _detached(rest, activation, vector, pos):
    vector = vector.clone().requires_grad_()
    patched = activation.clone()
    patched[:, pos] = vector.detach()
    return torch.autograd.grad(rest(patched), vector)[0]


def _under_no_grad(rest, activation, vector, pos):
    vector = vector.clone().requires_grad_()
    with torch.no_grad():
        patched = patches.patch_position(activation, vector.expand_as(activation), pos)
    return torch.autograd.grad(rest(patched), vector)[0]


def _leaf_written(rest, activation, vector, pos):
    activation = activation.clone().requires_grad_()
    activation[:, pos] = vector
    return torch.autograd.grad(rest(activation), activation)[0][:, pos].sum(0)


def _unpatched(rest, activation, vector, pos):
    activation = activation.clone().requires_grad_()
    return torch.autograd.grad(rest(activation), activation)[0][:, pos].sum(0)


def _cache_changed(rest, activation, vector, pos):
    vector = vector.clone().requires_grad_()
    activation.data[:, pos] = vector.data
    patched = activation.clone()
    patched[:, pos] = vector
    return torch.autograd.grad(rest(patched), vector)[0]


def _asks_the_caller(rest, activation, vector, pos):
    patched = activation.clone()
    patched[:, pos] = vector.clone().requires_grad_()
    rest(patched).backward()
    return vector.grad


def _first_row(rest, activation, vector, pos):
    rows = vector.expand(len(activation), -1).clone().requires_grad_()
    patched = activation.clone()
    patched[:, pos] = rows
    return torch.autograd.grad(rest(patched), rows)[0][0]


def _vector_marked(rest, activation, vector, pos):
    vector.requires_grad_()
    patched = activation.clone()
    patched[:, pos] = vector
    return torch.autograd.grad(rest(patched), vector)[0]


def _row_by_row(rest, activation, vector, pos):
    rows = vector.expand(len(activation), -1).clone().requires_grad_()
    patched = activation.clone()
    patched[:, pos] = rows
    return torch.autograd.grad(rest(patched), rows)[0]


def _everywhere(activation, vector, pos):
    return vector.expand_as(activation)


def _all_positions(rest, activation, vector, pos):
    patched = _stand_in(activation.detach().clone(), vector, pos).requires_grad_()
    return torch.autograd.grad(rest(patched), patched)[0].sum((0, 1))


def _one_row(rest, activation, vector, pos):
    vector = vector.clone().requires_grad_()
    return torch.autograd.grad(rest(_stand_in(activation.clone(), vector, pos)[:, pos]), vector)[0]


def _with_values(of):
    def patch_position(activation, source, pos):
        patched = activation.clone()
        patched[:, pos] = of(activation[:, pos], source[:, pos])
        return patched

    return patch_position


def _first_answer(logits, tokens, n):
    return patches.answer_log_prob(logits, tokens[:1].expand_as(tokens), n)


def _softmax_over_positions(logits, tokens, n):
    return _raw(logits.log_softmax(1), tokens, n)


def _replace_by_change(inputs, receiver, own, source):
    inputs[:, :, receiver] = source - own


def _last_only(inputs, receiver, own, source):
    inputs[:, -1, receiver] += (source - own)[:, -1]


def _receiver_alone(inputs, *, receiver, own, source, W_O):
    return inputs[:, :, receiver] + (source - own) @ W_O


def _change_alone(inputs, *, receiver, own, source, W_O):
    return (source - own) @ W_O


def _all_but(inputs, receiver, own, source):
    others = [h for h in range(inputs.shape[2]) if h != receiver]
    inputs[:, :, others] += (source - own)[:, :, None]


MISTAKES = {
    "patch_position": [
        ("every position", lambda a, s, pos: s.clone(), "Every position"),
        ("batch", _put(lambda pos: pos), "indexed the batch"),
        ("coordinates", _put(lambda pos: (..., pos)), "indexed the coordinates"),
        ("wrong direction", lambda a, s, pos: patches.patch_position(s, a, pos), "wrong way"),
        ("in place", _in_place, "changes its input `activation` itself"),
        (
            "source changed",
            lambda a, s, pos: (patches.patch_position(a, s, pos), s.zero_())[0],
            "changes its input `s` itself",
        ),
        ("from there on", _put(lambda pos: (slice(None), slice(pos, None))), "from `pos` on"),
        ("one row", _put(lambda pos: (0, pos)), "first row"),
        ("nothing", lambda a, s, pos: a.clone(), "Nothing has changed"),
        ("up to there", _put(lambda pos: (slice(None), slice(0, pos + 1))), "up to `pos`"),
        ("off by one", lambda a, s, pos: patches.patch_position(a, s, pos - 1), "Off by one"),
        ("first row's source", _with_values(lambda own, source: source[0]), "first row's source"),
        ("mean source", _with_values(lambda own, source: source.mean(0)), "mean of the source"),
        ("added", _with_values(lambda own, source: own + source), "*added*"),
        ("half way", _with_values(lambda own, source: (own + source) / 2), "mean of both runs"),
        ("zero", _with_values(lambda own, source: 0.0), "set to zero"),
        ("position 2", lambda a, s, pos: patches.patch_position(a, s, 2), "with pos 0"),
        ("not at 0", lambda a, s, pos: patches.patch_position(a, s, pos or -1), "Off by one"),
        ("that position alone", lambda a, s, pos: s[:, pos], "should have shape"),
    ],
    "answer_log_prob": [
        ("no shift", _answer(lambda each: each.sum(1), shift=0), "Did you shift by one?"),
        ("first token", _answer(lambda each: each[:, 0]), "first token"),
        ("last token", _answer(lambda each: each[:, -1]), "last token"),
        ("mean", _answer(lambda each: each.mean(1)), "its log is a sum"),
        ("logits", _raw, "Those are logits"),
        ("probability", _answer(lambda each: each.sum(1).exp()), "That is a probability"),
        ("sum of probabilities", _answer(lambda each: each.exp().sum(1)), "added probabilities"),
        ("loss", _answer(lambda each: -each.sum(1)), "loss"),
        ("tokens", _answer(lambda each: each), "sum over the answer"),
        ("whole text", _whole, "whole text"),
        ("underflow", _underflow, "underflows"),
        ("first token left out", _answer(lambda each: each[:, 1:].sum(1)), "is left out"),
        ("log of a sum", _answer(lambda each: each.exp().sum(1).log()), "is their product"),
        ("bits", _answer(lambda each: each.sum(1) / math.log(2)), "bits"),
        ("batch mean", _answer(lambda each: each.sum(1).mean()), "averaged over the batch"),
        ("batch sum", _answer(lambda each: each.sum()), "summed over the batch"),
        ("squeezed", _answer(lambda each: each.squeeze().sum(-1)), "over the batch"),
        ("squeezed after", _answer(lambda each: each.sum(1).squeeze()), "keep one number"),
        ("first row's answer", _first_answer, "first row's answer"),
        ("softmax over positions", _softmax_over_positions, "vocabulary is the last axis"),
        (
            "three tokens",
            lambda logits, tokens, n: patches.answer_log_prob(logits, tokens, 3),
            "n_answer 1",
        ),
    ],
    "add_along_path": [
        ("all heads", _path(_add_to_all), "Every head of the layer"),
        ("sign", _path(_add(lambda own, source: own - source)), "sign"),
        ("own kept", _path(_add(lambda own, source: source)), "writes twice"),
        ("ablated", _path(_add(lambda own, source: -own)), "ablation of the path"),
        ("replaced", _path(_replace), "*replaced* by the sender's write"),
        ("in place", _path_in_place, "changes its input `inputs` itself"),
        ("nothing", _path(lambda *_: None), "Nothing has changed"),
        (
            "wrong head",
            _path(_add(lambda own, source: source - own, lambda r: (r + 1) % 4)),
            "Another head",
        ),
        ("head before", _path(_add(lambda own, source: source - own, lambda r: r - 1)), "from 0"),
        ("absolute", _path(_add(lambda own, source: (source - own).abs())), "is lost"),
        ("first row", _path(_add(lambda own, source: (source - own)[:1])), "first row's change"),
        ("mean", _path(_add(lambda own, source: (source - own).mean(0))), "over the rows"),
        ("shared out", _path(_add(lambda own, source: (source - own) / 4)), "number of heads"),
        ("replaced by the change", _path(_replace_by_change), "by the change"),
        ("last position", _path(_last_only), "Only the last position"),
        ("the receiver alone", _receiver_alone, "not the receiver's alone"),
        ("the change alone", _change_alone, "change alone"),
        ("all but the receiver", _path(_all_but), "Every other head"),
    ],
    "attribution_scores": [
        ("sign", _scores(lambda g, o, s: (g * (o - s)).sum((0, 1, 3))), "sign"),
        ("source only", _scores(lambda g, o, s: (g * s).sum((0, 1, 3))), "own output is missing"),
        ("own only", _scores(lambda g, o, s: (g * o).sum((0, 1, 3))), "the run's own output"),
        (
            "batch mean",
            _scores(lambda g, o, s: (g * (s - o)).sum((1, 3)).mean(0)),
            "already a mean over prompts",
        ),
        (
            "position mean",
            _scores(lambda g, o, s: (g * (s - o)).sum((0, 3)).mean(0)),
            "averaged over positions",
        ),
        ("mean", _scores(lambda g, o, s: (g * (s - o)).mean((0, 1, 3))), "mean over everything"),
        ("absolute", _scores(lambda g, o, s: (g * (s - o)).sum((0, 1, 3)).abs()), "sign tells"),
        (
            "last position",
            _scores(lambda g, o, s: (g * (s - o))[:, -1].sum((0, 2))),
            "Only the last position",
        ),
        (
            "summed first",
            _scores(lambda g, o, s: g.sum((0, 1, 3)) * (s - o).sum((0, 1, 3))),
            "separately",
        ),
        ("cut off", _scores(lambda g, o, s: (g * (s - o)).sum((0, 1, 3)).relu()), "cut the scores"),
        ("first row", _scores(lambda g, o, s: (g * (s - o))[0].sum((0, 2))), "first row"),
        (
            "absolute first",
            _scores(lambda g, o, s: (g * (s - o)).abs().sum((0, 1, 3))),
            "before summing",
        ),
        ("no gradient", _scores(lambda g, o, s: (s - o).sum((0, 1, 3))), "gradient is missing"),
        ("each prompt", _scores(lambda g, o, s: (g * (s - o)).sum((1, 3))), "One score for each"),
        (
            "coordinate mean",
            _scores(lambda g, o, s: (g * (s - o)).sum((0, 1)).mean(-1)),
            "over coordinates",
        ),
        ("length", _scores(lambda g, o, s: (g * (s - o)).norm(dim=(0, 1, 3))), "length"),
        ("heads lost", _scores(lambda g, o, s: (g * (s - o)).sum()), "keep the heads"),
    ],
    "patch_gradient": [
        ("unpatched", _unpatched, "unpatched"),
        ("detached", _detached, "no way back"),
        ("no_grad", _under_no_grad, "no way back"),
        ("through data", _gradient(_through_data), "Zeros"),
        ("added", _gradient(_add_in), "*added*"),
        ("in place into a leaf", _leaf_written, "leaf"),
        (
            "whole activation",
            _gradient(_stand_in, lambda vector, activation: activation),
            "whole activation",
        ),
        ("caller's vector asked", _asks_the_caller, "asked the wrong tensor"),
        ("first row", _first_row, "first row"),
        ("cache changed", _cache_changed, "changes its input `activation` itself"),
        ("vector marked", _vector_marked, "changes its input `vector` itself"),
        ("sign", lambda *a: -patches.patch_gradient(*a), "turned round"),
        ("unit", lambda *a: F.normalize(patches.patch_gradient(*a), dim=0), "length one"),
        ("row by row", _row_by_row, "One gradient for each row"),
        ("mean over rows", lambda *a: _row_by_row(*a).mean(0), "averaged over rows"),
        ("every position", _gradient(_everywhere), "at every position"),
        ("all positions' gradient", _all_positions, "over all positions"),
        ("one row handed over", _one_row, "whole patched activation"),
    ],
}


def _patch_detached(activation, source, pos):
    patched = activation.detach().clone()
    patched[:, pos] = source[:, pos].detach()
    return patched


def _patch_by_where(activation, source, pos):
    here = torch.arange(activation.shape[1]) == pos
    return torch.where(here[:, None], source, activation)


def _patch_joined(activation, source, pos):
    pieces = activation[:, :pos], source[:, pos : pos + 1], activation[:, pos + 1 :]
    return torch.cat(pieces, dim=1)


def _patch_by_numpy(activation, source, pos):
    patched = activation.numpy().copy()
    patched[:, pos] = source.numpy()[:, pos]
    return torch.from_numpy(patched)


def _log_prob_by_cross_entropy(logits, tokens, n_answer):
    start = tokens.shape[1] - n_answer
    return -F.cross_entropy(logits[:, start - 1 : -1].mT, tokens[:, start:], reduction="none").sum(
        1
    )


def _log_prob_by_loop(logits, tokens, n_answer):
    scores = []
    for row, ids in zip(logits, tokens.tolist(), strict=True):
        places = range(len(ids) - n_answer, len(ids))
        scores.append(sum(row[at - 1].log_softmax(-1)[ids[at]].item() for at in places))
    return torch.tensor(scores)


def _path_one_hot(inputs, *, receiver, own, source, W_O):
    one_hot = F.one_hot(torch.tensor(receiver), inputs.shape[2])
    return inputs + torch.einsum("bpe,ed,h->bphd", source - own, W_O, one_hot.float())


def _path_by_unbind(inputs, *, receiver, own, source, W_O):
    heads = list(inputs.unbind(2))
    heads[receiver] = heads[receiver] - own @ W_O + source @ W_O
    return torch.stack(heads, 2)


def _scores_by_loop(gradient, own, source):
    n_heads = gradient.shape[2]
    change = source - own
    dots = [
        torch.dot(gradient[:, :, h].flatten(), change[:, :, h].flatten()) for h in range(n_heads)
    ]
    return torch.tensor([dot.item() for dot in dots])


def _gradient_by_backward(rest, activation, vector, pos):
    mine = vector.clone().requires_grad_(True)
    n_pos = activation.shape[1]
    here = (torch.arange(n_pos) == pos)[:, None]
    rest(torch.where(here, mine, activation)).backward()
    return mine.grad


def _gradient_by_func(rest, activation, vector, pos):
    def score(x):
        return rest(_patch_joined(activation, x.expand_as(activation), pos))

    return torch.func.grad(score)(vector)


def _gradient_of_rows(rest, activation, vector, pos):
    return _row_by_row(rest, activation, vector, pos).sum(0)


RIGHT = {
    "patch_position": [
        ("detached", _patch_detached),
        ("where", _patch_by_where),
        ("joined", _patch_joined),
        ("numpy", _patch_by_numpy),
    ],
    "answer_log_prob": [
        ("cross_entropy", _log_prob_by_cross_entropy),
        ("a loop", _log_prob_by_loop),
    ],
    "add_along_path": [("one-hot", _path_one_hot), ("head by head", _path_by_unbind)],
    "attribution_scores": [
        ("einsum", lambda g, o, s: torch.einsum("bphe,bphe->h", g, s - o)),
        ("a loop", _scores_by_loop),
    ],
    "patch_gradient": [
        ("backward", _gradient_by_backward),
        ("torch.func", _gradient_by_func),
        ("rows summed", _gradient_of_rows),
    ],
}
