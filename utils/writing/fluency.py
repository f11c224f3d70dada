"""What can be measured on a text that a model wrote: likelihood and repetition."""

import zlib
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import as_long_as, axes, count, evaluating, filled, guarded, several, unpadded


@guarded(
    model=evaluating,
    prompts=(axes(2), filled, unpadded),
    written=(axes(2), as_long_as("prompts")),
    batch_size=count(),
)
@torch.no_grad()
def token_losses(
    model,
    prompts: Int[Tensor, "batch pos"],
    written: Int[Tensor, "batch new"],
    *,
    batch_size: int = 16,
) -> Float[Tensor, "batch new"]:
    """-log probability of each written token given all before it, in nats.

    Outside of any `steer` context, this is what the unsteered model thinks of the text:
    `token_losses(...).mean(-1).exp()` is its perplexity for each text.
    """
    losses = []
    whole = torch.cat([prompts, written], dim=1)
    for tokens in whole.split(batch_size):
        logits = model(tokens)[:, prompts.shape[1] - 1 : -1]
        new = tokens[:, prompts.shape[1] :]
        losses.append(torch.nn.functional.cross_entropy(logits.mT, new, reduction="none"))
    return torch.cat(losses)


def _within_a_row(value: int, given: Mapping) -> str | None:
    n = given["tokens"].shape[1]
    return None if value <= n else f"is {value}, and a row has {n} tokens"


@guarded(tokens=axes(2), n=(count(), _within_a_row))
def repetition(tokens: Int[Tensor, "batch pos"], *, n: int) -> Float[Tensor, " batch"]:
    """For each row, the share of its n-grams that had occurred before in the row.

    Args:
        tokens: their n-grams overlap: one starts at every position that leaves room.
    """
    shares = []
    for row in tokens.tolist():
        grams = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
        shares.append(1 - len(set(grams)) / len(grams))
    return torch.tensor(shares)


@guarded(texts=(several, filled))
def zlib_ratio(texts: Sequence[str]) -> Float[Tensor, " batch"]:
    """Compressed size over size, in bytes: low where a text repeats itself.

    Short texts compress badly whatever they say, so compare texts of like length.
    """
    sizes = [(len(zlib.compress(text.encode(), 9)), len(text.encode())) for text in texts]
    return torch.tensor([packed / max(whole, 1) for packed, whole in sizes])
