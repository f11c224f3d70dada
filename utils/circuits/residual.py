"""The residual stream and what is read off it: its parts, the logit lens, probabilities.

Also a word's token, and what a cache costs. Lesson 00 asks for all of them.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from utils.guards import count, guarded, number


def _bare(value: str, _: Mapping) -> str | None:
    if isinstance(value, str) and value and value == value.strip():
        return None
    return f"is {value!r}: give one word without the space before it, such as 'Paris'"


def _whole(value, given: Mapping) -> str | None:
    """A cache with all that `residual_parts` asks for, of a model that writes nothing else."""
    kinds = ("hook_attn_out", "hook_mlp_out")
    wanted = [f"blocks.{layer}.{kind}" for layer in range(given["n_layers"]) for kind in kinds]
    there = set(value.keys())
    if "hook_pos_embed" in there:
        return (
            "holds position embeddings too, which are a part of the stream that is not asked for "
            "here: use `cache.decompose_resid()`"
        )
    missing = [name for name in ("hook_embed", *wanted) if name not in there]
    return f"has no {missing[0]!r}: keep all activations of a whole run" if missing else None


def _of_tensors(value, _: Mapping) -> str | None:
    odd = [name for name, each in value.items() if not isinstance(each, Tensor)]
    return f"holds no tensor under {odd[0]!r}: give a name -> tensor for each" if odd else None


def _from_stream(value: Tensor, given: Mapping) -> str | None:
    d_model, last = given["W_U"].shape[0], value.shape[-1] if value.ndim else 0
    return None if last == d_model else f"has a last axis of {last}, and `W_U` reads {d_model}"


def _logits(value: Tensor, _: Mapping) -> str | None:
    if not value.is_floating_point() or not value.numel():
        return f"is {value.dtype} of shape {tuple(value.shape)}: give a float for each token"
    return "holds NaN: find out where it comes from first" if bool(value.isnan().any()) else None


@guarded(word=_bare)
def answer_token(model, word: str) -> int | None:
    """The id of `word` as it follows other text, where that is one token; otherwise None.

    Args:
        model: has `model.to_tokens(text, prepend_bos=...)`, which gives ids of shape [1, n_tokens].
        word: without its leading space, such as "Paris".
    """
    tokens = model.to_tokens(" " + word, prepend_bos=False)[0]
    return int(tokens[0]) if len(tokens) == 1 else None


@guarded(n_layers=count(), cache=_whole)
def residual_parts(cache, n_layers: int) -> Float[Tensor, "part batch pos d_model"]:
    """What was written into the residual stream, in order.

    The order: embedding, then for each layer what its attention adds and what its MLP adds. The
    parts sum to the stream after the last block. TransformerLens has the same as
    `ActivationCache.decompose_resid`.

    Args:
        cache: name -> activation [batch, pos, d_model], with the names given above.
        n_layers: how many layers the model has.
    """
    names = ["hook_embed"]
    for layer in range(n_layers):
        names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
    return torch.stack([cache[name] for name in names])


@guarded(cache=_of_tensors)
def cache_bytes(cache) -> int:
    """Bytes of memory behind a cache: the sum over its storages, each counted once and whole.

    Args:
        cache: name -> tensor, of any dtype; some may be slices of others.
    """
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in cache.values()}
    return sum(storage.nbytes() for storage in storages.values())


@guarded(resid=_from_stream)
def logit_lens(
    resid: Float[Tensor, "*any d_model"],
    ln_final: Callable[[Tensor], Tensor],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> Float[Tensor, "*any d_vocab"]:
    """Logits the model would give if this were the last layer.

    Source: nostalgebraist's logit lens (2020). TransformerLens has more of it, with ranks and
    entropies, as `transformer_lens.tools.analysis.logit_lens`.

    Args:
        resid: residual stream.
        ln_final: the final normalisation, a function of [..., d_model].
        W_U: the unembedding.
    """
    return ln_final(resid) @ W_U


@guarded(logits=_logits, temperature=number(low=0))
def token_probabilities(
    logits: Float[Tensor, "*any d_vocab"], temperature: float
) -> Float[Tensor, "*any d_vocab"]:
    """Sampling probabilities, which sum to one over the vocabulary.

    Args:
        logits: any number of axes in front of the vocabulary.
        temperature: zero or more; 0 is greedy and puts all the mass on the largest logit.
    """
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits / temperature).softmax(-1)
