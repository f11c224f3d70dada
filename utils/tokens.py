"""From text to tokens, and test sequences made of tokens."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def answer_token(model, word: str) -> int | None:
    """The id of `word` as it follows other text, where that is one token; otherwise None.

    Args:
        model: anything with TransformerLens's `to_tokens(text, prepend_bos=...)`.
        word: without its leading space, such as "Paris".
    """
    tokens = model.to_tokens(" " + word, prepend_bos=False)[0]
    return int(tokens[0]) if len(tokens) == 1 else None


def repeated_tokens(
    seq_len: int,
    *,
    batch: int,
    d_vocab: int,
    bos: int,
    n_special: int,
    generator: torch.Generator,
) -> Int[Tensor, "batch 1+2*seq_len"]:
    """BOS, then `seq_len` random tokens, then the same tokens again; one random draw a row.

    The random tokens come from `n_special` up to, not including, `d_vocab`: a tokenizer's special
    tokens have the lowest ids. Source: the test of Olsson et al., 2022 (arXiv 2209.11895).
    """
    half = torch.randint(n_special, d_vocab, (batch, seq_len), generator=generator)
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)


def loss_by_half(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"]
) -> tuple[float, float]:
    """Mean next-token loss in nats on the first and on the second half of `repeated_tokens`.

    The first token of the second half is left out: nothing announces that the repeat begins.
    """
    seq_len = (tokens.shape[1] - 1) // 2
    log_probs = logits[:, :-1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None].to(logits.device))[..., 0]
    return loss[:, :seq_len].mean().item(), loss[:, seq_len + 1 :].mean().item()
