"""Single patches, forwards and backwards: what `utils.circuits.patching` repeats in a sweep.

Here are the patch itself, a score for long answers, one step along a path, and the estimate of a
whole sweep from one gradient. The sweeps, exact and fast, over all of a model's heads, layers or
positions are in `utils.circuits.patching`. Sources: Wang et al., 2022 (arXiv 2211.00593) for paths;
Syed et al., 2023 (arXiv 2310.10348) for the estimate, "attribution patching", which is Nanda's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.circuits import patching
from utils.circuits.patching import Metric
from utils.guards import count, guarded, index_of, shaped_as
from utils.heads import Head, head_name


@guarded(source=shaped_as("activation"), pos=index_of("activation", axis=1))
def patch_position(
    activation: Float[Tensor, "batch pos d_model"],
    source: Float[Tensor, "batch pos d_model"],
    pos: int,
) -> Float[Tensor, "batch pos d_model"]:
    """A copy of `activation` that has the source's values at position `pos`.

    Args:
        activation: of the run that is patched.
        source: of the other run.
        pos: the position to patch, in every row.
    """
    patched = activation.clone()
    patched[:, pos] = source[:, pos]
    return patched


@contextmanager
def patched_heads(
    model, heads: Iterable[Head], z: Mapping[int, Float[Tensor, "batch pos head d_head"]]
):
    """Within it, each of `heads` gives its output from `z` (layer -> outputs), at all positions.

    Raises:
        ValueError: a head is not there, or `z` has not its layer.
    """
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        if layer not in z or not 0 <= head < z[layer].shape[2]:
            raise ValueError(
                f"`z` has no {head_name((layer, head))}: it holds the layers {sorted(z)}."
            )
        by_layer.setdefault(layer, []).append(head)

    def put(own: Tensor, hook, layer: int) -> Tensor:
        own = own.clone()
        own[:, :, by_layer[layer]] = z[layer][:, :, by_layer[layer]]
        return own

    hooks = [(f"blocks.{layer}.attn.hook_z", partial(put, layer=layer)) for layer in by_layer]
    with model.hooks(fwd_hooks=hooks):
        yield model


def _leaves_a_token(n_answer: int, given: Mapping) -> str | None:
    top = min(given["tokens"].shape[1], given["logits"].shape[1]) - 1
    return None if n_answer <= top else f"is {n_answer}: at most {top} tokens have one before them"


@guarded(n_answer=(count(), _leaves_a_token))
def answer_log_prob(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"], n_answer: int
) -> Float[Tensor, " batch"]:
    """Log-probability (nats) of the last `n_answer` tokens, given all that stands before each.

    Args:
        logits: of the model run on `tokens`.
        tokens: prompt and answer.
        n_answer: how many tokens the answer has.
    """
    log_probs = logits[:, -n_answer - 1 : -1].log_softmax(-1)
    answer = tokens[:, -n_answer:, None].to(logits.device)
    return log_probs.gather(-1, answer)[..., 0].sum(-1)


@guarded(receiver=index_of("inputs", axis=2), source=shaped_as("own"))
def add_along_path(
    inputs: Float[Tensor, "batch pos head d_model"],
    *,
    receiver: int,
    own: Float[Tensor, "batch pos d_head"],
    source: Float[Tensor, "batch pos d_head"],
    W_O: Float[Tensor, "d_head d_model"],
) -> Float[Tensor, "batch pos head d_model"]:
    """A copy of the heads' inputs in which one head reads what a sender writes in another run.

    Source: path patching of Wang et al., 2022 (arXiv 2211.00593).

    Args:
        inputs: what each head of the receiver's layer reads, such as `hook_q_input`.
        receiver: the head that reads something else.
        own, source: the sender's `z` in this run and in the source run.
        W_O: the sender's output matrix.
    """
    inputs = inputs.clone()
    inputs[:, :, receiver] += (source - own) @ W_O
    return inputs


@guarded(gradient=shaped_as("own"), source=shaped_as("own"))
def attribution_scores(
    gradient: Float[Tensor, "batch pos head d_head"],
    own: Float[Tensor, "batch pos head d_head"],
    source: Float[Tensor, "batch pos head d_head"],
) -> Float[Tensor, " head"]:
    """How much each head's patch would move the metric if it were linear in the head's output.

    Source: attribution patching, as in Syed et al., 2023 (arXiv 2310.10348).

    Args:
        gradient: of the metric (a mean over prompts) with respect to `own`.
        own, source: the heads' outputs in the run that is patched, and in the one that is patched
            in.
    """
    return (gradient * (source - own)).sum((0, 1, 3))


def attribution(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"] | Mapping[int, Tensor],
    metric: Metric,
    *,
    what: str = "z",
    by_position: bool | None = None,
    positions: Sequence[int] = (-1,),
) -> Float[Tensor, "layer ..."]:
    """Estimates the `effect` of `utils.circuits.patching.sweep`, given the same arguments.

    Two forward passes and one backward pass for all patches together. TransformerLens's
    `tools.analysis.attribution_patching.attribution_patch` has the outputs of heads and MLPs, by
    position; this has whatever a sweep can patch, in the sweep's shape.

    Args:
        model, tokens, source, what, by_position, positions: as for `sweep`.
        metric: one, as for `sweep`: it takes the logits at `positions`.

    Returns:
        [layer, head], [layer, pos] or [layer, pos, head], as `sweep(...).effect`.

    Raises:
        ValueError: as for `sweep`; or the metric has no gradient.
    """
    hook = patching.hook_of(model, what)
    patching.check_runs(model, tokens, source)
    tokens, (n_pos, positions) = tokens.to(model.cfg.device), patching.counted(tokens, positions)
    tokens, layers = tokens[:, :n_pos], range(model.cfg.n_layers)
    by_head = what in patching.BY_HEAD
    by_position = not by_head if by_position is None else by_position
    own: dict[int, Tensor] = {}

    def keep(activation: Tensor, hook, layer: int) -> Tensor:
        # Of a model whose weights are frozen an activation has no gradient before it is asked for.
        own[layer] = activation if activation.requires_grad else activation.requires_grad_()
        return activation  # or the model would go on with another view, and no gradient came back

    hooks = [(f"blocks.{layer}.{hook}", partial(keep, layer=layer)) for layer in layers]
    with torch.enable_grad(), model.hooks(fwd_hooks=hooks):
        logits = model(tokens)[:, positions]
        score = patching.scored(metric, logits, "the metric", "on the unpatched run").mean()
        if not score.requires_grad:
            raise ValueError(
                "The metric has no gradient, as counts have none: choose one that moves smoothly, "
                "such as a difference of logits."
            )
        gradients = torch.autograd.grad(score, [own[layer] for layer in layers])
    if isinstance(source, Mapping):
        shapes = {layer: own[layer].shape for layer in layers}
        other = patching.broadcast(source, shapes, what)
    else:
        source = source.to(tokens.device)[:, :n_pos]
        patching.first_difference(tokens, source)
        with torch.no_grad():
            _, cache = model.run_with_cache(source, names_filter=lambda name: name.endswith(hook))
        other = {layer: cache[f"blocks.{layer}.{hook}"] for layer in layers}
    patching.check_finite(other, what)
    change = [other[layer] - own[layer].detach() for layer in layers]
    products = torch.stack([g * c for g, c in zip(gradients, change, strict=True)])
    if what == "pattern":  # [layer, batch, head, query, key]
        products = products.transpose(2, 3)
    over = (1, *(() if by_position else (2,)), *range(4 if by_head else 3, products.ndim))
    return products.sum(over)


@guarded(pos=index_of("activation", axis=1))
def patch_gradient(
    rest: Callable[[Float[Tensor, "batch pos d_model"]], Tensor],
    activation: Float[Tensor, "batch pos d_model"],
    vector: Float[Tensor, " d_model"],
    pos: int,
) -> Float[Tensor, " d_model"]:
    """The gradient of a score with respect to a vector that is patched in at `pos`.

    Args:
        rest: the rest of the model and a metric: takes the patched activation, returns a scalar.
        activation: the run's own. Leave it as it is.
        vector: stands at `pos` in every row of the patched activation. Leave it as it is.
    """
    vector = vector.detach().clone().requires_grad_()
    patched = activation.detach().clone()
    patched[:, pos] = vector
    return torch.autograd.grad(rest(patched), vector)[0]
