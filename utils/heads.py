"""Attention heads: their names, mean ablation, and random ones as a control.

Patterns are `[batch, head, query, key]`, head outputs `z` are `[batch, pos, head, d_head]`.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from operator import index

import torch
from jaxtyping import Float
from torch import Tensor

from utils.guards import axes, count, finite, guarded

Head = tuple[int, int]
"""A head's layer and its number in that layer."""


def head_name(head: Head) -> str:
    """`(18, 6)` as the field writes it: `L18H6`."""
    return f"L{head[0]}H{head[1]}"


def by_layer(model, heads: Iterable[Head]) -> dict[int, list[int]]:
    """Layer -> the numbers of these heads in it.

    Raises:
        ValueError: the model has no such head.
    """
    n_layers, n_heads, found = model.cfg.n_layers, model.cfg.n_heads, {}
    for each in heads:
        if not (isinstance(each, Sequence) and len(each) == 2):
            raise ValueError(f"Give heads as pairs of layer and number, (4, 1), and not {each!r}.")
        if not (0 <= each[0] < n_layers and 0 <= each[1] < n_heads):
            has = f"layers 0 to {n_layers - 1}, and heads 0 to {n_heads - 1} in each"
            raise ValueError(f"There is no {head_name(each)}: this model has {has}.")
        found.setdefault(index(each[0]), []).append(index(each[1]))
    return found


@guarded(heads=lambda heads, given: by_layer(given["model"], heads) and None)
def ablation_hooks(model, heads: Sequence[tuple[int, int]]) -> list[tuple[str, Callable]]:
    """Pairs (name, hook) for `model.hooks` that mean-ablate all of `heads`, (layer, number) each.

    In a run with these hooks, each of the heads gives its mean over batch and positions in place of
    its output `z`. Other heads, and the tensor that a hook is given, stay as they are.
    """

    def replacing(numbers):
        def replace(z, hook):
            z = z.clone()
            z[:, :, numbers] = z[:, :, numbers].mean((0, 1), keepdim=True)
            return z

        return replace

    layers = {}
    for layer, head in heads:
        layers.setdefault(int(layer), []).append(int(head))
    return [(f"blocks.{i}.attn.hook_z", replacing(numbers)) for i, numbers in layers.items()]


@contextmanager
def ablated(model, heads: Iterable[Head]):
    """Within it, the model runs with `heads` mean-ablated. The hooks always go away again."""
    with model.hooks(fwd_hooks=ablation_hooks(model, list(heads))):
        yield model


@guarded(scores=(axes(2), finite), n=count())
def top_heads(scores: Float[Tensor, "layer head"], n: int) -> list[Head]:
    """The `n` heads of highest score, highest first."""
    if n > scores.numel():
        raise ValueError(f"There are scores of {scores.numel()} heads: ask for at most that.")
    return [divmod(int(i), scores.shape[1]) for i in scores.flatten().topk(n).indices]


@guarded(n=count(low=0), n_heads=count())
def random_heads(
    n: int, *, layers: Sequence[int], n_heads: int, but: Iterable[Head], generator: torch.Generator
) -> list[Head]:
    """`n` different heads from `layers`, none of them in `but`: a control for an ablation.

    Raises:
        ValueError: fewer than `n` heads are left to draw from.
    """
    but = {(index(layer), index(head)) for layer, head in but}
    layers = dict.fromkeys(map(index, layers))  # each once, so that all heads differ
    pool = [(i, j) for i in layers for j in range(n_heads) if (i, j) not in but]
    if len(pool) < n:
        raise ValueError(f"Only {len(pool)} heads are left in these layers; ask for at most that.")
    return [pool[i] for i in torch.randperm(len(pool), generator=generator)[:n]]
