"""Lesson 00: the library's version of each exercise, and plausible wrong answers."""

import torch

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


MISTAKES = {
    "answer_token": [
        ("no space", _answer("{}", False, _single), "leading space"),
        ("BOS counted", _answer(" {}", True, _single), "BOS"),
        ("BOS returned", _answer(" {}", True, lambda ids: int(ids[0])), "id of BOS"),
        ("first piece", _answer(" {}", False, lambda ids: int(ids[0])), "exactly one"),
        ("two spaces", _answer("  {}", False, _single), "exactly one space"),
        ("a tensor", _answer(" {}", False, lambda t: t[0] if len(t) == 1 else None), "plain int"),
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
    ],
    "logit_lens": [
        ("no norm", lambda r, ln, W_U: r @ W_U, "norm is missing"),
        ("probabilities", lambda r, ln, W_U: (ln(r) @ W_U).softmax(-1), "no softmax"),
        ("norm last", lambda r, ln, W_U: ln(r @ W_U), "before the unembedding"),
        ("transposed", lambda r, ln, W_U: ln(r) @ W_U.T, "transposed"),
        ("last position", lambda r, ln, W_U: ln(r[:, -1]) @ W_U, "keep all leading axes"),
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
    ],
}
