"""Induction heads: the test sequence, scores of attention patterns, and what the weights say."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


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


def previous_token_scores(pattern: Float[Tensor, "batch head q k"]) -> Float[Tensor, " head"]:
    """Mean attention from each position to the one before it. The first position has none.

    Args:
        pattern: attention of one layer's heads, from each query `q` to each key `k`.
    """
    return pattern.diagonal(-1, dim1=-2, dim2=-1).mean(-1).mean(0)


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
