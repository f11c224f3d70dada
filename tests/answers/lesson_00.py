"""Lesson 00: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch
import torch.nn.functional as F

from utils.circuits import residual


def _answer(prompt, bos, several):
    def answer_token(model, word):
        ids = model.to_tokens(prompt.format(word), prepend_bos=bos)[0]
        return several(ids)

    return answer_token


def _single(ids):
    return int(ids[0]) if len(ids) == 1 else None


def _drop_embedding(cache, n_layers):
    return residual.residual_parts(cache, n_layers)[1:]


def _named(names):
    def residual_parts(cache, n_layers):
        return torch.stack([cache[name] for name in names(n_layers)])

    return residual_parts


def _layers(n_layers, *kinds):
    return [f"blocks.{layer}.{kind}" for layer in range(n_layers) for kind in kinds]


ATTN, MLP = "hook_attn_out", "hook_mlp_out"


def _accumulated(cache, n_layers):
    stream, parts = cache["hook_embed"], [cache["hook_embed"].clone()]
    for name in _layers(n_layers, ATTN, MLP):
        stream += cache[name]
        parts.append(cache[name])
    return torch.stack(parts)


def _without_n_layers(cache, n_layers):
    n_layers = sum(name.endswith(ATTN) for name in cache)
    return residual.residual_parts(cache, n_layers)


def _first_at_each_storage(cache):
    sizes = {}
    for t in cache.values():
        sizes.setdefault(t.untyped_storage().data_ptr(), t.numel() * t.element_size())
    return sum(sizes.values())


def _different_values(cache):
    seen = []
    for t in cache.values():
        if not any(t.dtype == x.dtype and torch.equal(t, x) for x in seen):
            seen.append(t)
    return residual.cache_bytes(dict(enumerate(seen)))


def _own_exponentials(logits, temperature):
    if temperature == 0:
        return residual.token_probabilities(logits, 0.0)
    exp = (logits / temperature).exp()
    return exp / exp.sum(-1, keepdim=True)


def _cold(of):
    def token_probabilities(logits, temperature):
        return of(logits) if temperature == 0 else (logits / temperature).softmax(-1)

    return token_probabilities


def _axis_one(logits, temperature):
    if temperature == 0:
        return residual.token_probabilities(logits, 0.0)
    return (logits / temperature).softmax(1)


def _over_all(logits, temperature):
    if temperature == 0:
        return residual.token_probabilities(logits, 0.0)
    return (logits / temperature).flatten().softmax(0).view(logits.shape)


def _single_by_library(model, word):
    try:
        return model.to_single_token(f" {word}")
    except AssertionError:
        return None


def _parts_by_loop(cache, n_layers):
    out = cache["embed"][None]
    for layer in range(n_layers):
        for kind in ("attn_out", "mlp_out"):
            out = torch.cat([out, cache[kind, layer][None]])
    return out


def _parts_by_numpy(cache, n_layers):
    names = ["hook_embed", *_layers(n_layers, ATTN, MLP)]
    return torch.from_numpy(np.stack([cache[name].numpy() for name in names]))


def _bytes_by_loop(cache):
    total, seen = 0, set()
    for t in cache.values():
        storage = t.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total += len(storage)
    return float(total)


def _lens_row_by_row(resid, ln_final, W_U):
    rows = [ln_final(row) @ W_U for row in resid.reshape(-1, resid.shape[-1])]
    return torch.stack(rows).reshape(*resid.shape[:-1], W_U.shape[1])


def _probabilities_by_hand(logits, temperature):
    if not temperature:
        largest = logits.max(dim=-1, keepdim=True).values
        out = (logits == largest).float()
        return out / out.sum(-1, keepdim=True)
    scaled = logits / temperature
    exp = (scaled - scaled.amax(-1, keepdim=True)).exp()
    return exp / exp.sum(-1, keepdim=True)


def _probabilities_by_scatter(logits, temperature):
    if temperature > 0:
        return torch.distributions.Categorical(logits=logits / temperature).probs
    best = logits.argmax(-1, keepdim=True)
    return torch.zeros_like(logits).scatter_(-1, best, 1.0)


MISTAKES = {
    "answer_token": [
        ("no space", _answer("{}", False, _single), "leading space"),
        ("BOS counted", _answer(" {}", True, _single), "BOS"),
        ("BOS returned", _answer(" {}", True, lambda ids: int(ids[0])), "id of BOS"),
        ("first piece", _answer(" {}", False, lambda ids: int(ids[0])), "exactly one"),
        ("two spaces", _answer("  {}", False, _single), "exactly one space"),
        ("a tensor", _answer(" {}", False, lambda t: t[0] if len(t) == 1 else None), "plain int"),
        ("all ids", _answer(" {}", False, lambda t: t.tolist()), "plain int"),
        ("False", _answer(" {}", False, lambda t: len(t) == 1 and int(t[0])), "plain int"),
        (
            "up to three with BOS",
            _answer(" {}", True, lambda t: int(t[1]) if len(t) <= 3 else None),
            "two tokens",
        ),
        (
            "lower case",
            lambda model, word: residual.answer_token(model, word.lower()),
            "change nothing else",
        ),
    ],
    "residual_parts": [
        ("no embedding", _drop_embedding, "embedding is missing"),
        ("no MLPs", _named(lambda n: ["hook_embed", *_layers(n, ATTN)]), "MLPs are missing"),
        (
            "last layer missing",
            _named(lambda n: ["hook_embed", *_layers(n - 1, ATTN, MLP)]),
            "last layer is missing",
        ),
        (
            "one layer too many",
            _named(lambda n: ["hook_embed", *_layers(n + 1, ATTN, MLP)]),
            "One layer too many",
        ),
        (
            "MLP before attention",
            _named(lambda n: ["hook_embed", *_layers(n, MLP, ATTN)]),
            "attention comes before",
        ),
        (
            "running sums",
            _named(lambda n: ["hook_embed", *_layers(n, "hook_resid_post")]),
            "running sum itself",
        ),
        ("the sum", lambda c, n: residual.residual_parts(c, n).sum(0), "That is the sum"),
        ("a list", lambda c, n: list(residual.residual_parts(c, n)), "torch.stack"),
        ("running sums of parts", lambda c, n: residual.residual_parts(c, n).cumsum(0), "running"),
        ("joined", lambda c, n: residual.residual_parts(c, n).flatten(0, 1), "new first axis"),
        ("batch first", lambda c, n: residual.residual_parts(c, n).transpose(0, 1), "comes first"),
        ("parts last", lambda c, n: residual.residual_parts(c, n).movedim(0, -1), "not last"),
        ("last position", lambda c, n: residual.residual_parts(c, n)[:, :, -1], "last position"),
        ("squeezed", lambda c, n: residual.residual_parts(c, n).squeeze(), "axis of one is lost"),
        (
            "all attention first",
            _named(lambda n: ["hook_embed", *_layers(n, ATTN), *_layers(n, MLP)]),
            "not all attention first",
        ),
        ("added up on the way", _accumulated, "changes its input `cache` itself"),
    ],
    "cache_bytes": [
        (
            "aliases counted",
            lambda c: sum(t.numel() * t.element_size() for t in c.values()),
            "more than once",
        ),
        ("elements", lambda c: sum(t.numel() for t in c.values()), "number of elements"),
        ("four bytes each", lambda c: sum(4 * t.numel() for t in c.values()), "4 bytes"),
        (
            "address of the tensor",
            lambda c: sum(
                {t.data_ptr(): t.untyped_storage().nbytes() for t in c.values()}.values()
            ),
            "another `data_ptr()`",
        ),
        (
            "size of the last tensor at an address",
            lambda c: sum(
                t.numel() * t.element_size() for t in {t.data_ptr(): t for t in c.values()}.values()
            ),
            "stands in for its whole storage",
        ),
        ("megabytes", lambda c: residual.cache_bytes(c) / 1e6, "return bytes"),
        ("bits", lambda c: residual.cache_bytes(c) * 8, "bits"),
        ("first tensor at a storage", _first_at_each_storage, "what it shows"),
        (
            "one tensor for each shape",
            lambda c: residual.cache_bytes({(t.shape, t.dtype): t for t in c.values()}),
            "same shape",
        ),
        ("one tensor for each value", _different_values, "shape and values"),
        (
            "one for each object",
            lambda c: sum({id(t): t.untyped_storage().nbytes() for t in c.values()}.values()),
            "another object",
        ),
    ],
    "logit_lens": [
        ("no norm", lambda r, ln, W_U: r @ W_U, "norm is missing"),
        ("probabilities", lambda r, ln, W_U: (ln(r) @ W_U).softmax(-1), "no softmax"),
        ("norm last", lambda r, ln, W_U: ln(r @ W_U), "before the unembedding"),
        ("transposed", lambda r, ln, W_U: ln(r) @ W_U.T, "transposed"),
        ("last position", lambda r, ln, W_U: ln(r[:, -1]) @ W_U, "keep all leading axes"),
        ("normalised", lambda r, ln, W_U: r / r.pow(2).mean(-1, keepdim=True).sqrt() @ W_U, "own"),
        (
            "three axes",
            lambda r, ln, W_U: torch.einsum("bpd,dv->bpv", ln(r), W_U),
            "any number of axes",
        ),
        ("norm alone", lambda r, ln, W_U: ln(r), "unembedding is missing"),
    ],
    "token_probabilities": [
        ("multiplied", lambda x, t: (x * t).softmax(-1), "multiplied"),
        ("ignored", lambda x, t: x.softmax(-1), "not used"),
        ("wrong axis", lambda x, t: (x / t).softmax(0), "wrong axis"),
        ("after the softmax", lambda x, t: x.softmax(-1) / t, "before the softmax"),
        ("zero not treated", lambda x, t: (x / t).softmax(-1), "divide by zero"),
        (
            "position at zero",
            lambda x, t: (x / t).softmax(-1) if t else x.argmax(-1),
            "position of the largest",
        ),
        ("absolute", lambda x, t: (x.abs() / t).softmax(-1), "sign of the logits"),
        ("second axis", _axis_one, "wrong axis"),
        (
            "greedy below one",
            lambda x, t: residual.token_probabilities(x, t if t >= 1 else 0.0),
            "greedy",
        ),
        ("one softmax for all", _over_all, "each row sums to one"),
        ("whole numbers", _cold(lambda x: F.one_hot(x.argmax(-1), x.shape[-1])), "whole numbers"),
        ("the largest logit", _cold(lambda x: x.amax(-1)), "largest logit itself"),
        ("two winners", _cold(lambda x: (x == x.amax(-1, keepdim=True)).float()), "equally large"),
        ("largest of all", _cold(lambda x: (x == x.max()).float()), "in each row"),
        ("overflow", _own_exponentials, "overflow"),
    ],
}


RIGHT = {
    "answer_token": [
        ("TransformerLens's own", _single_by_library),
        ("BOS cut off", _answer(" {}", True, lambda ids: _single(ids[1:]))),
        ("a list", lambda model, word: _single(model.to_tokens([" " + word], False)[0].tolist())),
        ("by shape", _answer(" {}", False, lambda t: t.item() if t.shape == (1,) else None)),
    ],
    "residual_parts": [
        ("one after the other", _parts_by_loop),
        ("numpy", _parts_by_numpy),
    ],
    "cache_bytes": [
        ("a loop, a float", _bytes_by_loop),
        ("a tensor", lambda cache: torch.tensor(residual.cache_bytes(cache))),
    ],
    "logit_lens": [
        ("einsum", lambda r, ln, W_U: torch.einsum("...d,dv->...v", ln(r), W_U)),
        ("linear", lambda r, ln, W_U: F.linear(ln(r), W_U.T)),
        ("row by row", _lens_row_by_row),
    ],
    "token_probabilities": [
        ("by hand", _probabilities_by_hand),
        ("scatter", _probabilities_by_scatter),
    ],
}
