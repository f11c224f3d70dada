"""What can be measured on a text that a model wrote: how likely it was."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import as_long_as, axes, count, evaluating, filled, guarded, unpadded


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
