"""Indirect-object identification: who gets the drink? The prompts of lessons 1.3 to 1.5.

"When Mary and John went to the store, John gave a drink to" goes on with " Mary". The name that
comes once is the indirect object (IO); the one that comes twice is the subject (S), first at S1,
then at S2. Source of the task: Wang et al., 2022 (arXiv 2211.00593).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import count, guarded, several

TEMPLATES = (
    "When {} and {} went to the {place}, {} gave a {thing} to",
    "After {} and {} left the {place}, {} handed a {thing} to",
    "While {} and {} were waiting at the {place}, {} passed a {thing} to",
    "Then {} and {} sat down in the {place}, and {} offered a {thing} to",
)
# For a test in words that nothing was chosen on, nor looked at: in `prompts`, templates 4 and 5.
UNSEEN_TEMPLATES = (
    "Because {} and {} were late for the {place}, {} sent a {thing} to",
    "On Monday {} and {} worked at the {place}, and {} lent a {thing} to",
)
PLACES = ("store", "school", "park", "garden", "station", "office", "library", "restaurant")
THINGS = ("drink", "book", "ring", "letter", "ticket", "basket", "flower", "map")
# One token each behind a space. No set shares a name with another: what is chosen on the first is
# tested on the second. The third is for a test after looking at the second.
NAMES = ("Mary", "John", "Tom", "Anna", "Paul", "Sarah", "Mark", "Laura", "Peter", "Alice")
OTHER_NAMES = (
    "James",
    "Emma",
    "David",
    "Susan",
    "Robert",
    "Kate",
    "Simon",
    "Helen",
    "Daniel",
    "Jane",
)
UNSEEN_NAMES = (
    "George",
    "Lucy",
    "Andrew",
    "Rachel",
    "Steven",
    "Julia",
    "Henry",
    "Rose",
    "Charles",
    "Grace",
)


@dataclass(frozen=True)
class Prompts:
    """Prompts of one template, all of the same length.

    Attributes:
        tokens: [batch, pos], on the model's device.
        io, s: [batch], the tokens of the right and of the wrong name, each with its leading space.
        positions: of "IO", "S1", "S2" and "END" (the last token, which predicts the name): a number
            where the prompts have one name order, and [batch] where both are mixed.
        texts: the prompts as text.
        spare: [batch], a third name's token, which does not stand in the prompt.
    """

    tokens: Int[Tensor, "batch pos"]
    io: Int[Tensor, " batch"]
    s: Int[Tensor, " batch"]
    positions: Mapping[str, int | Int[Tensor, " batch"]]
    texts: tuple[str, ...]
    spare: Int[Tensor, " batch"]

    def logit_diff(self, logits: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, " batch"]:
        """logit(IO) - logit(S) at the last position: above 0, the model prefers the right name.

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

    def swapped(self) -> "Prompts":
        """S2 becomes IO: "... John and Mary ..., Mary gave". The other name is right in it.

        `io` and `s` stay as they are, so that a metric means the same for both.
        """
        return self._with({"S2": self.io})

    def third_name(self) -> "Prompts":
        """S2 becomes a name that has not come before, so that neither name is the right one."""
        return self._with({"S2": self.spare})

    def _with(self, change: Mapping[str, Int[Tensor, " batch"]]) -> "Prompts":
        tokens = self.tokens.clone()
        for label, names in change.items():
            rows = torch.arange(len(tokens), device=tokens.device)
            tokens[rows, self.positions[label]] = names
        return replace(self, tokens=tokens, texts=())


def _template(value: int, _: Mapping) -> str | None:
    top = len(TEMPLATES + UNSEEN_TEMPLATES) - 1
    return None if 0 <= value <= top else f"is {value}: there are templates 0 to {top}"


def _three_names(value: Sequence[str], _: Mapping) -> str | None:
    if len(set(value)) < len(value):
        return "holds a name twice: give each once"
    odd = [name for name in value if name != name.strip() or not name]
    if odd:
        return f"holds {odd[0]!r}: give names without spaces around them"
    return None if len(value) > 2 else f"holds {len(value)}: a prompt needs three different ones"


def _that_reads(value, _: Mapping) -> str | None:
    has_none = getattr(value, "tokenizer", None) is None
    return (
        "has no tokenizer, and these prompts are text: load a language model" if has_none else None
    )


@guarded(model=_that_reads, n=count(), template=_template, names=(several, _three_names))
def prompts(
    model,
    n: int,
    *,
    generator: torch.Generator,
    template: int = 0,
    io_first: bool = True,
    names: Sequence[str] = NAMES,
    bos: bool = True,
) -> Prompts:
    """Draws `n` prompts of one template.

    Args:
        model: a TransformerBridge with a tokenizer.
        n: how many.
        generator: a seed gives the same prompts again.
        template: an index into `TEMPLATES`, and on into `UNSEEN_TEMPLATES`.
        io_first: whether the indirect object is named first (ABBA, as the paper says) or second.
        names: draw from these, three different ones a prompt (the third is `spare`).
        bos: whether BOS stands in front.

    Raises:
        ValueError: a name, place or thing is not one token, so that positions would differ.
    """

    def draw(items: Sequence[str], count: int) -> list[str]:
        return [items[i] for i in torch.randperm(len(items), generator=generator)[:count]]

    texts, trios = [], []
    for _ in range(n):
        io, s, spare = draw(names, 3)
        place, thing = draw(PLACES, 1)[0], draw(THINGS, 1)[0]
        pair = (io, s) if io_first else (s, io)
        wording = (TEMPLATES + UNSEEN_TEMPLATES)[template]
        texts.append(wording.format(*pair, s, place=place, thing=thing))
        trios.append((io, s, spare))
    rows = [model.to_tokens(text, prepend_bos=bos)[0] for text in texts]
    if len({len(row) for row in rows}) != 1:
        raise ValueError("Some name, place or thing is more than one token: choose another.")
    tokens = torch.stack(rows)
    ids = torch.tensor([[_only_token(model, name) for name in trio] for trio in trios])
    io, s, spare = ids.to(tokens.device).T
    row = tokens[0].tolist()
    s1, s2 = [i for i, token in enumerate(row) if token == s[0]]
    positions = {"IO": row.index(int(io[0])), "S1": s1, "S2": s2, "END": len(row) - 1}
    return Prompts(tokens, io, s, positions, tuple(texts), spare)


def both_orders(model, n: int, *, generator: torch.Generator, **settings) -> Prompts:
    """Draws `n` prompts with IO named first and `n` with S named first, as one batch.

    Args:
        settings: `template`, `names`, `bos`, as for `prompts`.

    Raises:
        ValueError: as `prompts` does.
    """
    both = [
        prompts(model, n, generator=generator, io_first=first, **settings)
        for first in (True, False)
    ]

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(each, name) for each in both])

    device = both[0].tokens.device
    positions = {
        label: torch.tensor([each.positions[label] for each in both], device=device)
        for label in both[0].positions
    }
    return Prompts(
        joined("tokens"),
        joined("io"),
        joined("s"),
        {label: at.repeat_interleave(n) for label, at in positions.items()},
        both[0].texts + both[1].texts,
        joined("spare"),
    )


def _only_token(model, name: str) -> int:
    ids = model.to_tokens(" " + name, prepend_bos=False)[0].tolist()
    if len(ids) != 1:
        raise ValueError(f"{name!r} is {len(ids)} tokens; use names of one token.")
    return ids[0]
