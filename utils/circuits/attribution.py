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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.circuits.patching import Metric, check_runs, scored
from utils.guards import (
    as_long_as,
    axes,
    count,
    filled,
    guarded,
    index_of,
    layer_of,
)
from utils.heads import Head, ablated, by_layer
from utils.stats import bootstrap


def _final_stream(model) -> str:
    return f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"


def _with_final_stream(cache, given: Mapping) -> str | None:
    name = _final_stream(given["model"])
    return None if name in set(cache.keys()) else f"lacks {name!r}: keep what the run wrote"


def _fits(direction: Tensor, cache, model) -> str | None:
    """One direction for each prompt of a run: nothing broadcasts."""
    name = _final_stream(model)
    if name not in set(cache.keys()):
        return f"needs a cache with {name!r}: keep what the run wrote"
    wanted = tuple(cache[name][:, -1].shape)
    if tuple(direction.shape) == wanted:
        return None
    return f"has shape {tuple(direction.shape)}, and the runs {wanted}: give one for each prompt"


def _of_one_run(value: Tensor, given: Mapping) -> str | None:
    return _fits(value, given["cache"], given["model"])


def _of_runs(value: Tensor, given: Mapping) -> str | None:
    both = (_fits(value, given[name], given["model"]) for name in ("before", "after"))
    return next(filter(None, both), None)


def _names_left(value: Tensor, given: Mapping) -> str | None:
    """Names without the two of a prompt, at least one, and those two among them."""
    if value.ndim != 1 or len(value.unique()) < len(value):
        return "must be tokens, [name], each once"
    if not torch.isin(torch.cat([given["io"], given["s"]]), value).all():
        return "lacks a name of some prompt: give all that they are made of"
    return None if len(value) > 2 else "leaves none to compare with: give three at least"


def _head_of_model(value: Head, given: Mapping) -> str | None:
    by_layer(given["model"], [value])
    return None


def _as_wide_as_model(value: Tensor, given: Mapping) -> str | None:
    wanted = (len(given["names"]), given["model"].cfg.d_model)
    return None if tuple(value.shape) == wanted else f"is {list(value.shape)}: give {list(wanted)}"


def _layer_and_number(value: Head, given: Mapping) -> str | None:
    layer, number = value
    top = given["n_heads"] - 1
    return None if 0 <= number <= top else f"is {value}: a layer has heads 0 to {top}"


def _leaves_a_control(value: Collection[Head], given: Mapping) -> str | None:
    layer, _ = given["head"]
    taken = {given["head"], *value}
    free = [number for number in range(given["n_heads"]) if (layer, number) not in taken]
    return None if free else f"leaves no other head of layer {layer} as a control"


def _layers_of_model(value: Sequence[int], given: Mapping) -> str | None:
    top = given["model"].cfg.n_layers - 1
    odd = [layer for layer in value if not 0 <= layer <= top]
    return f"holds {odd[0]}: this model has layers 0 to {top}" if odd else None


@guarded(cache=_with_final_stream)
def final_scale(cache, model) -> Float[Tensor, " batch"]:
    """What the final norm, an RMSNorm, divides the stream by at the last position.

    Args:
        cache: of a run, with "resid_post" of the last layer.
    """
    final = cache["resid_post", model.cfg.n_layers - 1][:, -1]
    return (final.pow(2).mean(-1) + model.cfg.eps).sqrt()


@guarded(direction=(axes(2), _of_one_run))
def attribute_heads(
    cache, model, direction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "layer head batch"]:
    """Direct logit attribution: what each head writes along a direction at the last position.

    In logits: on the scale by which the final norm divides the whole stream there.

    Args:
        cache: of a run, with `cache["z", layer]` for every layer, and what `final_scale` needs.
        model: what was run. It has `W_O`, [layer, head, d_head, d_model], and `ln_final.weight`.
        direction: for each prompt, as the unembedding reads it (the final norm's weight is not in
            it): a difference of two columns of `W_U`, for example.
    """
    folded = direction * model.ln_final.weight
    z = torch.stack([cache["z", layer][:, -1] for layer in range(model.cfg.n_layers)])
    written = torch.einsum("lbhe,lhed->lhbd", z, model.W_O)
    return (written * folded).sum(-1) / final_scale(cache, model)


@guarded(io=index_of("W_U", 1), s=(as_long_as("io"), index_of("W_U", 1)), names=_names_left)
def name_directions(
    W_U: Float[Tensor, "d_model d_vocab"],
    io: Int[Tensor, " batch"],
    s: Int[Tensor, " batch"],
    names: Int[Tensor, " name"],
) -> tuple[Float[Tensor, "batch d_model"], Float[Tensor, "batch d_model"]]:
    """Directions along which a name rises against its prompt's reference: of IO, and of S.

    Args:
        io, s: each prompt's two names, as tokens.
        names: all names that prompts are made of, as tokens; `io` and `s` are among them.
    """
    columns = W_U[:, names].T
    in_prompt = (names == io[:, None]) | (names == s[:, None])
    absent = (~in_prompt).to(columns.dtype)
    reference = absent @ columns / absent.sum(1, keepdim=True)
    return W_U[:, io].T - reference, W_U[:, s].T - reference


@guarded(n_heads=count(), head=_layer_and_number, suspects=_leaves_a_control)
def beyond_controls(
    change_without: Callable[[tuple[int, int]], Float[Tensor, " batch"]],
    head: tuple[int, int],
    suspects: Collection[tuple[int, int]],
    n_heads: int,
) -> tuple[float, float, float]:
    """How much more a metric changes without a head than without its controls: mean, low, high.

    Three numbers: the mean over prompts, then both ends of its 95% interval. `bootstrap(values)`
    gives the two ends alone.

    Args:
        change_without: of (layer, number), the metric's change when that head is ablated, prompt by
            prompt. The prompts are the same each time.
        head: layer, and number in the layer.
        suspects: heads, of any layer, that may matter themselves; `head` may be among them.
        n_heads: how many heads a layer has.
    """
    layer = head[0]
    others = [(layer, number) for number in range(n_heads)]
    controls = [other for other in others if other != head and other not in suspects]
    control = torch.stack([change_without(each) for each in controls]).mean(0)
    beyond = change_without(head) - control
    low, high = bootstrap(beyond)
    return beyond.mean().item(), low, high


@guarded(direction=(axes(2), _of_runs), layer=layer_of(end=False))
def waterfall(
    before, after, model, direction: Float[Tensor, "batch d_model"], layer: int
) -> dict[str, Float[Tensor, " batch"]]:
    """What the effect of ablating heads of one layer is made of, in logits along a direction.

    The keys are "direct", "later attention", "later MLPs" and "norm", each with one number for each
    prompt. They sum to the whole effect; the first three are on the scale of the run before.
    Sources: McGrath et al., 2023 (arXiv 2307.15771); Rushing and Nanda, 2024 (arXiv 2402.15390), on
    the norm.

    Args:
        before, after: caches of both runs, with "attn_out", "mlp_out" and "resid_post" of every
            layer, [batch, pos, d_model]. Only the last position counts.
        direction: as for `attribute_heads`.
        layer: of the ablated heads; it may be the last.
    """
    n_layers, folded = model.cfg.n_layers, direction * model.ln_final.weight
    old, new = final_scale(before, model), final_scale(after, model)

    def changed(name, layers):
        change = torch.zeros_like(direction)
        for i in layers:
            change = change + after[name, i][:, -1] - before[name, i][:, -1]
        return (change * folded).sum(-1) / old

    whole = (after["resid_post", n_layers - 1][:, -1] * folded).sum(-1)
    return {
        "direct": changed("attn_out", [layer]),
        "later attention": changed("attn_out", range(layer + 1, n_layers)),
        "later MLPs": changed("mlp_out", range(layer, n_layers)),
        "norm": whole / new - whole / old,
    }


@guarded(head=_head_of_model, x=(axes(2), _as_wide_as_model), names=(filled, axes(1)))
def ov_on_names(
    model, head: tuple[int, int], x: Float[Tensor, "name d_model"], names: Int[Tensor, " name"]
) -> Float[Tensor, "read raised"]:
    """What a head's value and output weights do to names: row i is a head that looks at name i
    alone, column j how far it raises the logit of name j, against the row's mean. Without the
    final norm's scale, so in arbitrary units.

    Args:
        head: layer, and number in the layer. Heads may share value weights: `model.W_V` is
            [layer, group, d_model, d_head], and each group serves as many neighbouring heads.
        x: the residual stream before the head's layer at each name's position; its block's norm,
            `model.blocks[layer].ln1`, comes first.
        names: the names' tokens.
    """
    layer, number = head
    group = number * model.W_V.shape[1] // model.cfg.n_heads
    values = model.blocks[layer].ln1(x) @ model.W_V[layer, group]
    written = values @ model.W_O[layer, number]
    logits = (written * model.ln_final.weight) @ model.W_U[:, names]
    return logits - logits.mean(1, keepdim=True)


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
        copies = z.unflatten(0, (-1, n_heads)).clone()  # [batch, copy, pos, head, d_head]
        for head in range(n_heads):
            copies[:, head, :, head] = copies[:, head, :, head].mean((0, 1))
        return copies.flatten(0, 1)

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
