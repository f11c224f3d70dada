"""From text to tokens, and test sequences made of tokens."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor


def answer_token(model, word: str) -> int | None:
    """The id of `word` as it follows other text, where that is one token; otherwise None.

    Args:
        model: anything with TransformerLens's `to_tokens(text, prepend_bos=...)`.
        word: without its leading space, such as "Paris".
    """
    tokens = model.to_tokens(" " + word, prepend_bos=False)[0]
    return int(tokens[0]) if len(tokens) == 1 else None


def residual_parts(
    cache: Mapping[str, Tensor], n_layers: int
) -> Float[Tensor, "part batch pos d_model"]:
    """What was written into the residual stream, in order: embedding, then attention and MLP of
    each layer, so `1 + 2 * n_layers` parts. Their sum is the last layer's `hook_resid_post`.

    TransformerLens has the same as `ActivationCache.decompose_resid`.
    """
    names = ["hook_embed"]
    for layer in range(n_layers):
        names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
    return torch.stack([cache[name] for name in names])


def cache_bytes(cache: Mapping[str, Tensor]) -> int:
    """Bytes of memory behind a cache. Names that share one tensor's storage count once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in cache.values()}
    return sum(storage.nbytes() for storage in storages.values())


def logit_lens(
    resid: Float[Tensor, "... d_model"],
    ln_final: Callable[[Tensor], Tensor],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> Float[Tensor, "... d_vocab"]:
    """Logits the model would give if this were the last layer: final norm, then unembedding.

    Source: nostalgebraist's logit lens (2020). TransformerLens has more of it, with ranks and
    entropies, as `transformer_lens.tools.analysis.logit_lens`.
    """
    return ln_final(resid) @ W_U


def token_probabilities(
    logits: Float[Tensor, "... d_vocab"], temperature: float
) -> Float[Tensor, "... d_vocab"]:
    """Sampling probabilities. Temperature 0 is greedy: all the mass on the largest logit."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits / temperature).softmax(-1)
