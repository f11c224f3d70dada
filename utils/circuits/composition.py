"""What heads read and write by their weights alone: copying, and composition of two heads."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from utils.guards import axes, finite, guarded

_MOST_TOKENS = 20_000  # scores of all pairs: 1.6 GB


def _of_few_tokens(value: Tensor, given: Mapping) -> str | None:
    n, n_other = len(value), given["W_U"].shape[1]
    if n != n_other:
        return f"is of {n} tokens, and `W_U` of {n_other}: give both of the same tokens"
    if 2 <= n <= _MOST_TOKENS:
        return None
    return f"is of {n} tokens: give from 2 to {_MOST_TOKENS:,}, a random sample of them"


def _chained(before: str):
    """A matrix that takes what the one before gives."""

    def guard(value: Tensor, given: Mapping) -> str | None:
        got, wanted = value.shape[0], given[before].shape[1]
        return None if got == wanted else f"has {got} rows, and `{before}` has {wanted} columns"

    return guard


def _square(value: Tensor, given: Mapping) -> str | None:
    """Square matrices of one size with `W_QK`, none of them empty of weights."""
    d_model = given["W_QK"].shape[-1]
    if value.ndim < 2 or value.shape[-2:] != (d_model, d_model):
        return f"has shape {tuple(value.shape)}: give [{d_model}, {d_model}], as `W_QK` reads"
    empty = not bool((value != 0).flatten(-2).any(-1).all())
    return "is all zeros, so nothing is written or read" if empty else None


@guarded(
    W_E=(axes(2), finite, _of_few_tokens),
    W_V=(axes(2), finite, _chained("W_E")),
    W_O=(axes(2), finite, _chained("W_V")),
    W_U=(axes(2), finite, _chained("W_O")),
)
def copying_score(
    W_E: Float[Tensor, "token d_model"],
    W_V: Float[Tensor, "d_model d_head"],
    W_O: Float[Tensor, "d_head d_model"],
    W_U: Float[Tensor, "d_model token"],
) -> float:
    """Mean share of the other tokens that each token's own logit beats, from the OV circuit.

    It says how far a head raises the logit of the very token it attends to.

    Args:
        W_E, W_U: embeddings and unembeddings of the same tokens.
        W_V, W_O: the head's matrices.
    """
    scores = W_E @ W_V @ W_O @ W_U
    beaten = (scores < scores.diagonal()[:, None]).sum(-1)
    return (beaten / (scores.shape[-1] - 1)).mean().item()


@guarded(W_QK=(axes(2), finite, _square), W_OV=(finite, _square))
def k_composition(
    W_OV: Float[Tensor, "*head d_model d_model"], W_QK: Float[Tensor, "d_model d_model"]
) -> Float[Tensor, "*head"]:
    """How much a later head's keys read what earlier heads wrote, from the weights alone.

    Source: Elhage et al., 2021 ("A Mathematical Framework for Transformer Circuits").
    TransformerLens has all pairs at once, as `model.all_composition_scores("K")`: minutes for a
    model of this size, so the lesson scores the pairs it asks about.

    Args:
        W_OV: of one earlier head, or of a stack of them.
        W_QK: of the later head, [d_model of the query, d_model of the key].
    """
    norms = torch.linalg.matrix_norm(W_OV) * torch.linalg.matrix_norm(W_QK)
    return torch.linalg.matrix_norm(W_QK @ W_OV.mT) / norms
