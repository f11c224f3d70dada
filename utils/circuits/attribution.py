"""Direct logit attribution, and what it says about an ablation.

First, which component of the model writes towards which answer. Then, what attribution predicts of
an ablation, where an ablation's effect comes from, and quick runs of the last token alone, in which
heads are ablated.

Everything here is taken at one position, the last, and for a difference of two logits. The final
norm is an RMSNorm, `x / scale * weight`, without centring and without bias. `scale` is measured on
the whole stream and then held fixed ("frozen"): that makes the logit difference a sum over parts.
Sources: Elhage et al., 2021 ("A Mathematical Framework for Transformer Circuits"); Wang et al.,
2022 (arXiv 2211.00593). TransformerLens has it as `tools.analysis.direct_logit_attribution`, for
models whose norm weights are folded.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.circuits.patching import Metric, check_runs, scored
from utils.guards import (
    Guard,
    as_long_as,
    axes,
    filled,
    floating,
    guarded,
    index_of,
    number,
    shaped_as,
)
from utils.heads import Head, ablated, mean_ablate


def _of_prompts(other: str) -> Guard:
    """[part, batch, d_model], where the other argument is [batch, d_model]: nothing broadcasts."""

    def guard(value: Tensor, given: Mapping) -> str | None:
        wanted = tuple(given[other].shape)
        if value.shape[1:] == wanted:
            return None
        return f"has shape {tuple(value.shape)}, and must end in {wanted}, as `{other}`"

    return guard


def _above_zero(value: Tensor, _: Mapping) -> str | None:
    return None if bool((value > 0).all()) else "must be above 0 for each prompt: it divides"


def _for_heads(value: Tensor, given: Mapping) -> str | None:
    """[head, d_head, d_model], where z is [batch, head, d_head]."""
    wanted = tuple(given["z"].shape[1:])
    if value.shape[:2] == wanted:
        return None
    return f"has shape {tuple(value.shape)}, and must begin with {wanted}, as `z` [batch, *] ends"


def _of_one_kind(value: Sequence[Mapping[str, Tensor]], _: Mapping) -> str | None:
    kinds = [set(run) for run in value]
    odd = set.union(*kinds) - set.intersection(*kinds)
    if odd:
        return f"must all have the same names, and {min(odd)!r} is not in each"
    flat = [name for name, each in value[0].items() if not each.ndim]
    return f"holds one number for a whole run, {flat[0]!r}: give one a prompt" if flat else None


def _layers_of_model(value: Sequence[int], given: Mapping) -> str | None:
    top = given["model"].cfg.n_layers - 1
    odd = [layer for layer in value if not 0 <= layer <= top]
    return f"holds {odd[0]}: this model has layers 0 to {top}" if odd else None


@guarded(
    logits=axes(3),
    right=(as_long_as("logits"), index_of("logits", 2)),
    wrong=(as_long_as("logits"), index_of("logits", 2)),
)
def logit_diff(
    logits: Float[Tensor, "batch pos d_vocab"],
    right: Int[Tensor, " batch"],
    wrong: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """logit(right) - logit(wrong) at the last position.

    Args:
        right, wrong: token ids on the device of the logits; each row has its own pair.
    """
    last, rows = logits[:, -1], torch.arange(len(right), device=logits.device)
    return last[rows, right] - last[rows, wrong]


@guarded(
    W_U=axes(2),
    norm_weight=(axes(1), as_long_as("W_U")),
    right=index_of("W_U", 1),
    wrong=(as_long_as("right"), index_of("W_U", 1)),
)
def logit_diff_direction(
    W_U: Float[Tensor, "d_model d_vocab"],
    norm_weight: Float[Tensor, " d_model"],
    right: Int[Tensor, " batch"],
    wrong: Int[Tensor, " batch"],
) -> Float[Tensor, "batch d_model"]:
    """For each prompt the direction d such that (x / scale) · d is the logit difference.

    Args:
        W_U: not folded: the norm's weight is not in it.
        norm_weight: the final norm's weight.
        right, wrong: token ids.
    """
    return norm_weight * (W_U[:, right] - W_U[:, wrong]).T


@guarded(resid=floating, eps=number(low=0))
def norm_scale(resid: Float[Tensor, "... d_model"], eps: float) -> Float[Tensor, "..."]:
    """What RMSNorm divides by: the root of the mean square, with `eps` under the root.

    In single precision at least: in half, the square of an activation above 255 is infinite.
    """
    resid = resid.to(torch.promote_types(resid.dtype, torch.float))
    return (resid.pow(2).mean(-1) + eps).sqrt()


@guarded(runs=(filled, _of_one_kind))
def join_runs(runs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """One dictionary from those of several runs, joined along the batch: the axis of a vector, and
    axis 1 of anything larger, such as [part, batch, d_model]."""
    return {
        name: torch.cat([run[name] for run in runs], dim=min(1, value.ndim - 1))
        for name, value in runs[0].items()
    }


@guarded(
    direction=axes(2),
    parts=(axes(3), _of_prompts("direction")),
    scale=(axes(1), as_long_as("direction"), _above_zero),
)
def direct_logit_attribution(
    parts: Float[Tensor, "part batch d_model"],
    direction: Float[Tensor, "batch d_model"],
    scale: Float[Tensor, " batch"],
) -> Float[Tensor, "part batch"]:
    """What each part adds to the logit difference, in logits.

    Args:
        parts: what was written into the stream. If they sum to the whole of it, the attributions
            sum to the logit difference.
        direction: with the final norm's weight folded in.
        scale: what the final norm divides by, of the whole stream.
    """
    return (parts * direction).sum(-1) / scale


@guarded(z=axes(3), W_O=(axes(3), _for_heads))
def head_outputs(
    z: Float[Tensor, "batch head d_head"], W_O: Float[Tensor, "head d_head d_model"]
) -> Float[Tensor, "head batch d_model"]:
    """What each head of one layer writes into the stream; together, what the attention writes.

    This holds where attention has no output bias, as in Llama-like models.

    Args:
        z: of one layer's heads, at one position.
        W_O: the heads' output matrices.
    """
    return torch.einsum("bhe,hed->hbd", z, W_O)


@guarded(z=axes(4), W_O=(axes(4), as_long_as("z")))
def head_attributions(
    z: Float[Tensor, "layer batch head d_head"],
    W_O: Float[Tensor, "layer head d_head d_model"],
    direction: Float[Tensor, "batch d_model"],
    scale: Float[Tensor, " batch"],
) -> Float[Tensor, "layer head batch"]:
    """`direct_logit_attribution` of every head: `head_outputs` of each layer as the parts."""
    written = [head_outputs(*layer) for layer in zip(z, W_O, strict=True)]
    return torch.stack([direct_logit_attribution(heads, direction, scale) for heads in written])


@guarded(
    written=axes(2),
    direction=shaped_as("written"),
    scale=(axes(1), as_long_as("written"), _above_zero),
)
def predicted_effect(
    written: Float[Tensor, "batch d_model"],
    direction: Float[Tensor, "batch d_model"],
    scale: Float[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Change of the logit difference if a head wrote its mean over the batch instead, and nothing
    else changed: no later component, and not the scale.

    This is the *direct* effect of mean ablation.

    Args:
        written: what the head writes.
        direction: with the final norm's weight folded in.
        scale: what the final norm divides by, of the whole stream.
    """
    return ((written.mean(0) - written) * direction).sum(-1) / scale


@guarded(
    direction=axes(2),
    before=(axes(3), _of_prompts("direction")),
    after=shaped_as("before"),
    scale_before=(axes(1), as_long_as("direction"), _above_zero),
    scale_after=(axes(1), as_long_as("direction"), _above_zero),
)
def ablation_split(
    before: Float[Tensor, "part batch d_model"],
    after: Float[Tensor, "part batch d_model"],
    direction: Float[Tensor, "batch d_model"],
    scale_before: Float[Tensor, " batch"],
    scale_after: Float[Tensor, " batch"],
) -> tuple[Float[Tensor, "part batch"], Float[Tensor, " batch"]]:
    """Each part's share of an ablation's effect, and the norm's share.

    Each part's change is counted at the scale of the run before; what the new scale does is the
    norm's share. All shares sum to the change of the logit difference. Sources: McGrath et al.,
    2023 (arXiv 2307.15771); Rushing and Nanda, 2024 (arXiv 2402.15390), on the norm.

    Args:
        before, after: all parts of the stream, without and with the ablation.
        direction: with the final norm's weight folded in.
        scale_before, scale_after: what the final norm divides by, of the whole stream.
    """
    by_part = ((after - before) * direction).sum(-1) / scale_before
    projected = (after.sum(0) * direction).sum(-1)
    return by_part, projected / scale_after - projected / scale_before


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
        ValueError: the prompts are a single token long, so there is nothing to keep; they are
            padded, or the model is in training mode, has a hook at work or keeps nothing.
    """
    check_runs(model, tokens, {})
    if tokens.shape[1] < 2:
        raise ValueError("Prompts of one token have nothing before it: run the model as usual.")
    _, before = model(tokens[:, :-1], return_type="logits_and_cache", use_cache=True)
    if before is None:  # and its last token alone would be read as if nothing stood before it
        raise ValueError(
            "This model keeps no keys and values, as the toy models of this course do not: run all "
            "of its tokens, as usual."
        )
    return LastToken(tokens[:, -1:], before)


@torch.no_grad()
def run_last(
    model, kept: LastToken, *, heads: Iterable[Head] = (), names_filter=None
) -> tuple[Float[Tensor, "batch 1 d_vocab"], Any]:
    """Logits and activations of the last token, each of `heads` at its mean over the prompts.

    Args:
        names_filter: which activations to return, as for `run_with_cache`.

    Raises:
        ValueError: the model has no such head, or a single prompt is its own mean.
    """
    heads = list(heads)
    if heads:
        _check_several(kept)
    # A run adds its token to the cache that it is given.
    before = copy.deepcopy(kept.before)
    with ablated(model, heads):
        return model.run_with_cache(kept.tokens, past_key_values=before, names_filter=names_filter)


def _check_several(kept: LastToken) -> None:
    if len(kept.tokens) < 2:
        raise ValueError(
            "With a single prompt each head's mean is what it gives anyway, so nothing changes: "
            "keep several prompts."
        )


@guarded(layers=(filled, _layers_of_model))
@torch.no_grad()
def effects_of_each_head(
    model,
    kept: LastToken,
    metric: Metric,
    *,
    layers: Sequence[int],
) -> Float[Tensor, "layer head batch"]:
    """Change of a metric when one head gives its mean over the prompts at the last position.

    All heads of a layer go in one run, each in its own copy of the prompts.

    Raises:
        ValueError: the model has no such layer, a single prompt is its own mean, or the metric does
            not return a number for each prompt.
    """
    _check_several(kept)
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
        return torch.stack(
            [
                scored(metric, logits[head::n_heads], "the metric", f"without L{layer}H{head}")
                for head in range(n_heads)
            ]
        )

    usual = scored(metric, run_last(model, kept, names_filter=[])[0], "the metric", "as usual")
    return torch.stack([measured(layer) for layer in layers]) - usual
