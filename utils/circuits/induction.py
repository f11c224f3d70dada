"""Induction heads: the test sequence, the loss on it, and scores of attention patterns."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import axes, count, guarded


def _above_specials(value: int, given: Mapping) -> str | None:
    low = given["n_special"]
    return None if value > low else f"is {value}: it must be above `n_special`, {low}"


def _in_vocabulary(value: int, given: Mapping) -> str | None:
    top = given["d_vocab"] - 1
    return None if 0 <= value <= top else f"is {value}: token ids are from 0 to {top}"


def _two_halves(value: Tensor, given: Mapping) -> str | None:
    """BOS and two halves, each of two tokens at least."""
    logits, n_pos = given["logits"], value.shape[1]
    if value.shape != logits.shape[:2]:
        return f"has shape {tuple(value.shape)}, and `logits` {tuple(logits.shape)}"
    if n_pos % 2 == 0 or n_pos < 5:
        return f"has {n_pos} positions: give BOS and two equal halves of two tokens or more"
    top = logits.shape[2] - 1
    fits = value.min() >= 0 and value.max() <= top
    return None if fits else f"holds ids that no logit has: they are from 0 to {top}"


def _attention(value: Tensor, _: Mapping) -> str | None:
    """[batch, head, query, key], after the softmax."""
    if value.ndim != 4 or value.shape[2] != value.shape[3] or value.shape[2] < 2:
        return (
            f"has shape {tuple(value.shape)}: give [batch, head, query, key] of a whole run of two "
            "positions or more"
        )
    fits = value.numel() and value.min() >= 0 and value.max() <= 1.01
    return None if fits else "is no attention, which is from 0 to 1: take it after the softmax"


def _one_and_twice(value: int, given: Mapping) -> str | None:
    n_pos = given["pattern"].shape[-1]
    fits = n_pos == 1 + 2 * value
    return None if fits else f"is {value}, and the pattern has {n_pos} positions, not 1 + 2 * that"


@guarded(
    seq_len=count(),
    batch=count(),
    n_special=count(low=0),
    d_vocab=_above_specials,
    bos=_in_vocabulary,
)
def repeated_tokens(
    seq_len: int, *, batch: int, d_vocab: int, bos: int, n_special: int, generator: torch.Generator
) -> Int[Tensor, "batch pos"]:
    """BOS, then `seq_len` random tokens, then the same tokens again: `1 + 2 * seq_len` positions.

    Source: the test of Olsson et al., 2022 (arXiv 2209.11895).

    Args:
        seq_len: length of one half.
        batch: how many rows; each row has its own random tokens.
        d_vocab, n_special: draw ids from `n_special` up to, not including, `d_vocab`. The lowest
            ids are special tokens.
        bos: the id to put in front.
        generator: hand it to the random function, so that a seed gives the same tokens again.
    """
    half = torch.randint(n_special, d_vocab, (batch, seq_len), generator=generator)
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)


@guarded(logits=axes(3), tokens=(axes(2), _two_halves))
def loss_by_half(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"]
) -> tuple[float, float]:
    """Mean next-token loss in nats on the first half (BOS predicts its first token), and on the
    second half without its first token.

    Args:
        logits: at all 1+2*seq_len positions of `tokens`.
        tokens: BOS and two equal halves, as `repeated_tokens` makes them.
    """
    seq_len = (tokens.shape[1] - 1) // 2
    log_probs = logits[:, :-1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None].to(logits.device))[..., 0]
    return loss[:, :seq_len].mean().item(), loss[:, seq_len + 1 :].mean().item()


@guarded(pattern=_attention)
def previous_token_scores(pattern: Float[Tensor, "batch head q k"]) -> Float[Tensor, " head"]:
    """Mean attention from each position to the one before it. The first position has none.

    Args:
        pattern: attention of one layer's heads, from each query `q` to each key `k`.
    """
    return pattern.diagonal(-1, dim1=-2, dim2=-1).mean(-1).mean(0)


@guarded(pattern=_attention, seq_len=(count(low=2), _one_and_twice))
def induction_scores(
    pattern: Float[Tensor, "batch head q k"], seq_len: int
) -> Float[Tensor, " head"]:
    """Mean attention from a token to the one after its first copy.

    Source: Olsson et al., 2022 (arXiv 2209.11895).

    Args:
        pattern: attention of one layer's heads on BOS and two equal halves.
        seq_len: length of a half.
    """
    return pattern.diagonal(1 - seq_len, dim1=-2, dim2=-1).mean(-1).mean(0)
