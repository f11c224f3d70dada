"""Erasing a concept from activations, once and while a model runs; and patching heads."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.guards import (
    as_long_as,
    axes,
    evaluating,
    filled,
    finite,
    floating,
    guarded,
    number,
    two_classes,
)


def _of_layers(layers: Sequence[int], given: Mapping) -> str | None:
    n = given["model"].cfg.n_layers
    wrong = [layer for layer in layers if layer not in range(n)]
    return f"holds {wrong[0]}, and blocks are 0 to {n - 1}" if wrong else None


class Eraser(NamedTuple):
    """An affine edit, `x - (x - mean) @ matrix.T`; it unpacks like a tuple."""

    mean: Float[Tensor, " d_model"]
    matrix: Float[Tensor, "d_model d_model"]


@guarded(
    x=(axes(2), floating, finite),
    y=(as_long_as("x"), two_classes),
    shrink=number(low=0, high=1),
)
def leace(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"], *, shrink: float = 0.05) -> Eraser:
    """Least-squares concept erasure: no linear probe finds `y` in the rows that it was fitted on.

    With the covariance S of `x` and the covariance c of `x` with `y`: `matrix` is the outer product
    of c and u, divided by `c @ u`, where u solves `S u = c`. Of all edits that
    remove the covariance with `y`, it changes `x` least.

    Args:
        y: 0 and 1.
        shrink: that share of S is replaced by the identity times the mean of S's diagonal: S of
            fewer rows than dimensions has no inverse. At 1 what goes is the difference of means.

    Returns:
        `Eraser(mean, matrix)`, the mean of `x` and the matrix in `x - (x - mean) @ matrix.T`.

    Source: Belrose et al., 2023 (arXiv 2306.03819), for one concept of two values.
    """
    mean = x.mean(0)
    centred, labels = x - mean, y.to(x) - y.to(x).mean()
    c = centred.T @ labels / len(x)
    S = centred.T @ centred / len(x)
    identity = torch.eye(len(c), dtype=x.dtype, device=x.device)
    S = (1 - shrink) * S + shrink * S.diagonal().mean() * identity
    u = torch.linalg.solve(S, c)
    return Eraser(mean, torch.outer(c, u) / (c @ u))


def erased(x: Float[Tensor, "*n d_model"], eraser: Sequence[Tensor]) -> Float[Tensor, "*n d_model"]:
    """`x` after an eraser."""
    mean, matrix = eraser
    return x - (x - mean) @ matrix.T


@guarded(
    model=evaluating,
    tokens=(axes(2), filled),
    lengths=as_long_as("tokens"),
    layers=_of_layers,
    fit_rows=as_long_as("tokens"),
)
def erase_while_running(
    model,
    tokens: Int[Tensor, "batch pos"],
    lengths: Int[Tensor, " batch"],
    labels: Int[Tensor, " batch"],
    *,
    layers: Sequence[int],
    fit: Callable[[Tensor, Tensor], Sequence[Tensor]],
    fit_rows: Bool[Tensor, " batch"],
) -> tuple[dict[int, Float[Tensor, "batch d_model"]], Float[Tensor, "batch d_vocab"]]:
    """Run a model, and erase a concept at the last token of each row, before each of some blocks.

    Before each block of `layers`, an eraser is fitted on the stream as it comes there, that is
    after what earlier blocks' erasers did, and applied to all rows at their last tokens.

    Args:
        tokens: padded on the right; row i has `lengths[i]` tokens.
        fit: `fit(x, y)` gives a mean and a matrix: `x - (x - mean) @ matrix.T` is erased.
        fit_rows: True for the rows that erasers may be fitted on, with their labels.

    Returns:
        For every block of the model, the stream before it at the last tokens, after erasing; and
        the logits at the last tokens.
    """
    rows, last, streams = torch.arange(len(tokens)), lengths - 1, {}

    def edit(resid, hook):
        layer = int(hook.name.split(".")[1])
        x = resid[rows, last]
        if layer in layers:
            mean, matrix = fit(x[fit_rows], labels[fit_rows])
            x = x - (x - mean) @ matrix.T
            resid = resid.clone()
            resid[rows, last] = x
        streams[layer] = x
        return resid

    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, edit) for name in names])
    return streams, logits[rows, last]


@guarded(
    model=evaluating, tokens=(axes(2), filled), lengths=as_long_as("tokens"), layers=_of_layers
)
def patch_heads(
    model,
    tokens: Int[Tensor, "batch pos"],
    other: Int[Tensor, "batch pos"],
    lengths: Int[Tensor, " batch"],
    direction: Float[Tensor, " d_model"],
    *,
    layers: Sequence[int],
    read: int,
) -> Float[Tensor, "layer head batch"]:
    """What a fixed direction reads when one head at a time writes what it writes in other texts.

    At each row's last token, one head's output (`blocks.L.attn.hook_z`, [batch, pos, head, d_head])
    is replaced by its output in `other`. All else runs on.

    Args:
        tokens, other: as long as each other row by row, padded on the right; row i has
            `lengths[i]` tokens.
        layers: the blocks whose heads are patched, each head alone.
        read: the product of `direction` with the residual stream before this block is read, at
            the last token.
    """
    rows, last = torch.arange(len(tokens)), lengths - 1
    names = [f"blocks.{layer}.attn.hook_z" for layer in layers]
    scores = torch.zeros(len(names), model.cfg.n_heads, len(tokens))
    with torch.no_grad():
        _, cache = model.run_with_cache(other, names_filter=names, stop_at_layer=read)
        for i, name in enumerate(names):
            for head in range(model.cfg.n_heads):

                def patch(z, hook, head=head):
                    z = z.clone()
                    z[rows, last, head] = cache[hook.name][rows, last, head]
                    return z

                with model.hooks(fwd_hooks=[(name, patch)]):
                    resid = model(tokens, stop_at_layer=read)
                scores[i, head] = resid[rows, last] @ direction
    return scores
