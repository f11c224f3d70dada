"""Lesson 1.4: the library's version of each exercise, and plausible wrong answers."""

import torch

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


MISTAKES = {
    "patch_position": [
        ("every position", lambda a, s, pos: s.clone(), "Every position"),
        ("batch", _put(lambda pos: pos), "indexed the batch"),
        ("coordinates", _put(lambda pos: (..., pos)), "indexed the coordinates"),
        ("wrong direction", lambda a, s, pos: patches.patch_position(s, a, pos), "wrong way"),
        ("in place", _in_place, "`activation` itself was changed"),
        (
            "source changed",
            lambda a, s, pos: (patches.patch_position(a, s, pos), s.zero_())[0],
            "`source` itself was changed",
        ),
        ("from there on", _put(lambda pos: (slice(None), slice(pos, None))), "from `pos` on"),
        ("one row", _put(lambda pos: (0, pos)), "first row"),
        ("nothing", lambda a, s, pos: a.clone(), "Nothing has changed"),
        (
            "detached",
            lambda a, s, pos: patches.patch_position(a.detach(), s.detach(), pos),
            "forgotten where it came from",
        ),
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
    ],
    "add_along_path": [
        ("all heads", _path(_add_to_all), "Every head of the layer"),
        ("sign", _path(_add(lambda own, source: own - source)), "sign"),
        ("own kept", _path(_add(lambda own, source: source)), "writes twice"),
        ("ablated", _path(_add(lambda own, source: -own)), "ablation of the path"),
        ("replaced", _path(_replace), "*replaced* by the sender's write"),
        ("in place", _path_in_place, "`inputs` itself was changed"),
        ("nothing", _path(lambda *_: None), "Nothing has changed"),
        ("wrong head", _path(_add(lambda own, source: source - own, lambda r: r + 1)), "should be"),
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
        ("cache changed", _cache_changed, "`activation` itself was changed"),
        ("vector marked", _vector_marked, "the caller's vector"),
    ],
}
