"""The residual stream and what is read off it: its parts, the logit lens, probabilities.

Also a word's token, and what a cache costs. Lesson 00 asks for all of them.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def answer_token(model, word: str) -> int | None:
    """The id of `word` as it follows other text, where that is one token; otherwise None.

    Args:
        model: has `model.to_tokens(text, prepend_bos=...)`, which gives ids of shape [1, n_tokens].
        word: without its leading space, such as "Paris".
    """
    tokens = model.to_tokens(" " + word, prepend_bos=False)[0]
    return int(tokens[0]) if len(tokens) == 1 else None


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


def cache_bytes(cache) -> int:
    """Bytes of memory behind a cache: the sum over its storages, each counted once and whole.

    Args:
        cache: name -> tensor, of any dtype; some may be slices of others.
    """
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in cache.values()}
    return sum(storage.nbytes() for storage in storages.values())


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
