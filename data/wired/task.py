"""The task of the wired toys: which of two names came once? The prompts of lesson 1.5.

"<bos> John Mary John to" goes on with "Mary". The name that comes once is IO, the one that comes
twice is S, first at S1, then at S2.
"""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import count, guarded

TOY_NAMES = ("Mary", "John", "Tom", "Anna", "Paul", "Sarah")
TOKENS = ("<bos>", "to", *TOY_NAMES)
BOS, TO, FIRST_NAME = 0, 1, 2


@dataclass(frozen=True)
class ToyPrompts:
    """All prompts of the task.

    Attributes:
        clean: "<bos> IO S S to", or "<bos> S IO S to".
        corrupted: the same with S2 replaced by a third name, so that neither name is right.
        io, s: the right and the wrong name's tokens.
    """

    clean: Int[Tensor, "batch pos"]
    corrupted: Int[Tensor, "batch pos"]
    io: Int[Tensor, " batch"]
    s: Int[Tensor, " batch"]

    def logit_diff(self, logits: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, " batch"]:
        """logit(IO) - logit(S) at the last position.

        Raises:
            ValueError: the logits are of other prompts, more or fewer.
        """
        if logits.ndim != 3 or len(logits) != len(self.io):
            raise ValueError(
                f"These are {len(self.io)} prompts, and the logits {list(logits.shape)}: give "
                "[batch, pos, d_vocab] of the same prompts."
            )
        rows = torch.arange(len(self.io), device=logits.device)
        return logits[rows, -1, self.io] - logits[rows, -1, self.s]


@guarded(every=count())
def toy_prompts(every: int = 1) -> ToyPrompts:
    """All 240: 6 * 5 ordered pairs of names, each with 4 third names, in 2 name orders.

    Args:
        every: 5 gives each fifth of them.
    """
    rows = []
    for io, s, third in itertools.permutations(range(FIRST_NAME, len(TOKENS)), 3):
        for pair in ((io, s), (s, io)):
            rows.append(([BOS, *pair, s, TO], [BOS, *pair, third, TO], io, s))
    return ToyPrompts(*(torch.tensor(column) for column in zip(*rows[::every], strict=True)))


def as_text(row: Int[Tensor, " pos"]) -> str:
    """One prompt in words."""
    return " ".join(TOKENS[token] for token in row.tolist())
