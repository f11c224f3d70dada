"""Patching written out: a sweep, corruptions, one path, and estimates from a gradient.

Each function here is the plain form of a method, one forward pass a patch. The fast sweeps, with
the same numbers, are in `utils.circuits.patching`. Sources: Wang et al., 2022 (arXiv 2211.00593)
and Goldowsky-Dill et al., 2023 (arXiv 2304.05969) for paths; Nanda, 2023, for attribution patching;
Kramár et al., 2024 (arXiv 2403.00745) for its repair.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.circuits.patching import check_runs, layers_of, receivers_of
from utils.guards import Guard, axes, filled, guarded, shaped_as
from utils.heads import Head, by_layer, head_name


def _of_model(check: Callable[[Any, Mapping], object]) -> Guard:
    """A guard from a function that raises a ValueError."""

    def guard(value: Any, given: Mapping) -> str | None:
        try:
            check(value, given)
        except ValueError as error:
            return f"will not do: {str(error).rstrip('.')}"
        return None

    return guard


_runs = _of_model(lambda value, given: check_runs(given["model"], value, given["source"]))
_pair = _of_model(lambda value, given: check_runs(given["model"], given["corrupted"], value))
_layers = _of_model(lambda value, given: layers_of(given["model"], value))


def _in_prompts(value: Sequence[int], given: Mapping) -> str | None:
    n_pos = given["clean"].shape[1]
    odd = [pos for pos in value if not -n_pos <= pos < n_pos]
    return f"holds {odd[0]}: these prompts have positions 0 to {n_pos - 1}" if odd else None


def _behind(value: Sequence[Head], given: Mapping) -> str | None:
    sender = given["sender"][0]
    odd = [layer for layer, _ in value if layer <= sender]
    return f"holds layer {odd[0]}: it must come after the sender's, {sender}" if odd else None


@guarded(
    clean=_pair,
    source=_pair,
    layers=_layers,
    positions=(filled, _in_prompts),
)
def stream_sweep(
    model,
    corrupted: Int[Tensor, "batch pos"],
    clean: Int[Tensor, "batch pos"],
    metric: Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, " batch"]],
    *,
    layers: Sequence[int],
    positions: Sequence[int],
    source: Int[Tensor, "batch pos"] | None = None,
) -> Float[Tensor, "layer position batch"]:
    """Patches the residual stream before one layer at one position, for each of them in turn.

    Args:
        corrupted: the run that is patched.
        clean: the run that the metric is normalised by.
        metric: takes logits, returns one number for each prompt.
        layers, positions: where to patch. Each pair is a run of its own.
        source: the run that the activations come from; without it, the clean run.

    Returns:
        Each prompt's metric after the patch, normalised: 0 is its corrupted score, and 1 is the
        mean clean score. (metric - the corrupted run's) / mean over prompts of (the clean run's -
        the corrupted run's). All runs are made without gradients, which would take gigabytes.
    """
    source = clean if source is None else source
    names = [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    restored = []
    with torch.no_grad():
        base = metric(model(corrupted))
        way = (metric(model(clean)) - base).mean()
        _, cache = model.run_with_cache(source, names_filter=names)
        for name in names:
            for pos in positions:

                def patch(own, hook, name=name, pos=pos):
                    own = own.clone()
                    own[:, pos] = cache[name][:, pos]
                    return own

                logits = model.run_with_hooks(corrupted, fwd_hooks=[(name, patch)])
                restored.append((metric(logits) - base) / way)
    return torch.stack(restored).unflatten(0, (len(layers), len(positions)))


def corruptions(prompts) -> dict[str, Int[Tensor, "batch pos"]]:
    """Prompts of the same two names in which something has changed, and something has not.

    Args:
        prompts: has `tokens`; `io` and `s`, the tokens of the two names, [batch]; and `positions`
            of "IO", "S1" and "S2", each one integer for all prompts.

    Returns:
        Three sets of tokens, each as large as `prompts.tokens`:
        "position": the right answer is the same as in the clean prompt. The name that comes again
            stands in the *other* of the first two places.
        "answer": the other name is the right answer. The name that comes again stands in the
            *same* place as in the clean prompt.
        "both": the other name is the right answer, and the name that comes again stands in the
            other of the first two places.
    """
    first, second, again = (prompts.positions[label] for label in ("IO", "S1", "S2"))
    changed = {name: prompts.tokens.clone() for name in ("position", "answer", "both")}
    for name in ("position", "answer"):
        changed[name][:, first] = prompts.s
        changed[name][:, second] = prompts.io
    for name in ("answer", "both"):
        changed[name][:, again] = prompts.io
    return changed


@contextmanager
def patched_heads(
    model, heads: Iterable[Head], z: Mapping[int, Float[Tensor, "batch pos head d_head"]]
):
    """Within it, each of `heads` gives its output from `z` (layer -> outputs), at all positions.

    Raises:
        ValueError: a head is not there, or `z` has not its layer.
    """
    chosen: dict[int, list[int]] = {}
    for layer, head in heads:
        if layer not in z or not 0 <= head < z[layer].shape[2]:
            raise ValueError(
                f"`z` has no {head_name((layer, head))}: it holds the layers {sorted(z)}."
            )
        chosen.setdefault(layer, []).append(head)

    def put(own: Tensor, hook, layer: int) -> Tensor:
        own = own.clone()
        own[:, :, chosen[layer]] = z[layer][:, :, chosen[layer]]
        return own

    hooks = [(f"blocks.{layer}.attn.hook_z", partial(put, layer=layer)) for layer in chosen]
    with model.hooks(fwd_hooks=hooks):
        yield model


@guarded(
    tokens=_runs,
    sender=_of_model(lambda value, given: by_layer(given["model"], [value])),
    receivers=(
        _of_model(lambda value, given: receivers_of(given["model"], value, given["into"])),
        _behind,
    ),
)
def path_patch(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    *,
    sender: tuple[int, int],
    receivers: Sequence[tuple[int, int]],
    into: str,
    hold_mlps: bool,
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits of `tokens` when one head's output from `source` reaches some receivers alone.

    Source: path patching of Wang et al., 2022 (arXiv 2211.00593), Goldowsky-Dill et al., 2023
    (arXiv 2304.05969).

    Args:
        tokens: the run that is patched.
        source: the run that the sender's output comes from.
        sender: (layer, head).
        receivers: (layer, head) of each, in layers after the sender's. For "k" and "v" it is a
            key-value head.
        into: which input of the receivers: "q", "k" or "v", for `blocks.L.attn.hook_q`, `hook_k`
            or `hook_v`.
        hold_mlps: whether MLPs keep what they give in the run on `tokens`. If not, they compute
            anew, and pass on what the sender changes.
    """
    changed = {}
    with torch.no_grad():
        own, other = (model.run_with_cache(run)[1] for run in (tokens, source))

        def hold(z, hook):
            z = own["z", hook.layer()].clone()
            if hook.layer() == sender[0]:
                z[:, :, sender[1]] = other["z", hook.layer()][:, :, sender[1]]
            return z

        def hold_mlp(out, hook):
            return own["mlp_out", hook.layer()]

        def keep(read, hook):
            changed[hook.layer()] = read.clone()

        def put(read, hook):
            read = read.clone()
            heads = [head for layer, head in receivers if layer == hook.layer()]
            read[:, :, heads] = changed[hook.layer()][:, :, heads]
            return read

        layers = range(model.cfg.n_layers)
        hooks = [(f"blocks.{layer}.attn.hook_z", hold) for layer in layers]
        hooks += [(f"blocks.{layer}.attn.hook_{into}", keep) for layer in layers]
        if hold_mlps:
            hooks += [(f"blocks.{layer}.hook_mlp_out", hold_mlp) for layer in layers]
        model.run_with_hooks(tokens, fwd_hooks=hooks)
        hooks = [(f"blocks.{layer}.attn.hook_{into}", put) for layer in layers]
        return model.run_with_hooks(tokens, fwd_hooks=hooks)


@guarded(tokens=_runs)
def attribution_patching(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    metric: Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, " batch"]],
    *,
    name: str = "attn.hook_z",
) -> Float[Tensor, "layer head batch"]:
    """Estimates how far each head's patch would move each prompt's metric, by its gradient.

    Two forward passes and one backward pass for all heads of all layers, each patched at all
    positions. Source: Nanda, 2023, "Attribution patching".

    Args:
        tokens: the run that would be patched, and that the gradient is taken on.
        source: the run that the activations would come from.
        metric: takes logits, returns one number for each prompt.
        name: the hook in each block, [batch, pos, head, d_head].
    """
    names = [f"blocks.{layer}.{name}" for layer in range(model.cfg.n_layers)]
    own = {}

    def keep(activation, hook):
        own[hook.layer()] = activation.requires_grad_()
        return activation

    logits = model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
    gradients = torch.autograd.grad(metric(logits).sum(), [own[i] for i in range(len(names))])
    with torch.no_grad():
        _, other = model.run_with_cache(source, names_filter=names)
        estimates = []
        for layer, gradient in enumerate(gradients):
            change = other[names[layer]] - own[layer]
            estimates.append((gradient * change).sum((1, 3)).T)
        return torch.stack(estimates)


def _of_pattern(value: Tensor, given: Mapping) -> str | None:
    """[batch, pos, head, d_head] of a pattern [batch, head, query, key]."""
    batch, n_heads, n_pos, _ = given["pattern"].shape
    if value.shape[:3] == (batch, n_pos, n_heads):
        return None
    return f"has shape {tuple(value.shape)}, and must begin with {(batch, n_pos, n_heads)}"


def _shared(value: Tensor, given: Mapping) -> str | None:
    """Key-value heads that serve equally many query heads."""
    queries = given["queries"].shape
    if value.shape[:2] == queries[:2] and queries[2] % value.shape[2] == 0:
        return None
    return f"has shape {tuple(value.shape)}, which does not fit queries of shape {tuple(queries)}"


@guarded(
    gradient=(axes(4), shaped_as("pattern")),
    queries=(axes(4), _of_pattern),
    keys=(axes(4), _shared),
)
def qk_fix(
    gradient: Float[Tensor, "batch head query key"],
    pattern: Float[Tensor, "batch head query key"],
    queries: Float[Tensor, "batch pos head d_head"],
    keys: Float[Tensor, "batch pos kv_head d_head"],
) -> Float[Tensor, "head batch"]:
    """Estimates what other queries would do: the pattern exactly, only the rest by its gradient.

    Source: the QK fix of AtP*, Kramár et al., 2024 (arXiv 2403.00745).

    Args:
        gradient: of the metric with respect to `pattern`.
        pattern: the run's own attention.
        queries: the source run's queries, their rotation done.
        keys: the run's own keys, their rotation done. As many query heads, one after the other,
            share one key-value head: heads 0, 1 and 2 the first, where there are three times as
            many.
    """
    keys = keys.repeat_interleave(queries.shape[2] // keys.shape[2], dim=2)
    scores = torch.einsum("bqhd, bkhd -> bhqk", queries, keys) / queries.shape[-1] ** 0.5
    future = torch.ones_like(scores[0, 0]).triu(1).bool()
    scores = scores.masked_fill(future, -torch.inf)
    change = scores.softmax(-1) - pattern
    return (gradient * change).sum((2, 3)).T
