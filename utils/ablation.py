"""Heads ablated at the last position, without running the positions before it again.

No position sees a later one. So where heads are ablated at the last position only, all others stay
as they are, and their keys and values, once kept, do for every run.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.heads import Head, ablated, mean_ablate


@dataclass(frozen=True)
class LastToken:
    """Prompts, ready to run their last token alone.

    Attributes:
        tokens: that token.
        before: the model's cache of keys and values of all tokens before it.
    """

    tokens: Int[Tensor, "batch 1"]
    before: Any


@torch.no_grad()
def keep_before_last(model, tokens: Int[Tensor, "batch pos"]) -> LastToken:
    """Runs all positions but the last, once, and keeps their keys and values.

    Raises:
        ValueError: the prompts are a single token long, so there is nothing to keep.
    """
    if tokens.shape[1] < 2:
        raise ValueError("Prompts of one token have nothing before it: run the model as usual.")
    _, before = model(tokens[:, :-1], return_type="logits_and_cache", use_cache=True)
    return LastToken(tokens[:, -1:], before)


@torch.no_grad()
def run_last(
    model, kept: LastToken, *, heads: Iterable[Head] = (), names_filter=None
) -> tuple[Float[Tensor, "batch 1 d_vocab"], Any]:
    """Logits and activations of the last token, each of `heads` at its mean over the prompts.

    Args:
        names_filter: which activations to return, as for `run_with_cache`.
    """
    # A run adds its token to the cache that it is given.
    before = copy.deepcopy(kept.before)
    with ablated(model, heads):
        return model.run_with_cache(kept.tokens, past_key_values=before, names_filter=names_filter)


@torch.no_grad()
def effects_of_each_head(
    model,
    kept: LastToken,
    metric: Callable[[Float[Tensor, "batch 1 d_vocab"]], Float[Tensor, " batch"]],
    *,
    layers: Sequence[int],
) -> Float[Tensor, "layer head batch"]:
    """Change of a metric when one head gives its mean over the prompts at the last position.

    All heads of a layer go in one run, each in its own copy of the prompts.
    """
    n_heads = model.cfg.n_heads
    repeated, tokens = copy.deepcopy(kept.before), kept.tokens.repeat_interleave(n_heads, 0)
    repeated.batch_repeat_interleave(n_heads)

    def without_one(z: Tensor, hook) -> Tensor:
        copies = z.unflatten(0, (-1, n_heads))  # [batch, copy, pos, head, d_head]
        each = [mean_ablate(copies[:, head], [head]) for head in range(n_heads)]
        return torch.stack(each, dim=1).flatten(0, 1)

    def measured(layer: int) -> Tensor:
        with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", without_one)]):
            logits = model(tokens, past_key_values=copy.deepcopy(repeated))
        return torch.stack([metric(logits[head::n_heads]) for head in range(n_heads)])

    usual = metric(run_last(model, kept, names_filter=[])[0])
    return torch.stack([measured(layer) for layer in layers]) - usual
