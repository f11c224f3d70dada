"""The task of lesson 5.3: who has which drink? Stories, and questions about them.

In a story of clauses each name stands beside its drink, `Amy tea , Bob milk ,`. In a story of lists
only the order binds them, `Amy Bob , tea milk ,`. A question ends with the name it asks about,
`? Bob`, or with an ordinal, `? second`; the answer is the drink. Filler words stand before and
between the parts, so that no part has a fixed position.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from utils.guards import as_long_as, axes, count, filled, guarded, shaped_as

SIGNS = ("<bos>", ",", "?", "where")
FILLER_WORDS = ("so", "well", "then", "now")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
CHARACTERS = ("Amy", "Bob", "Carl", "Dora", "Eve", "Finn", "Gina", "Hugo")
_DRINKS = "tea milk juice cocoa water wine beer cider soda broth mead gin rum ale punch shake"
DRINKS = tuple(_DRINKS.split())
STORY_WORDS = (*SIGNS, *FILLER_WORDS, *ORDINALS, *CHARACTERS, *DRINKS)
SIGHT = ("hidden", "seen")
BOS, COMMA, ASKS, WHERE = range(4)
FIRST_FILLER, FIRST_ORDINAL, FIRST_NAME, FIRST_DRINK = 4, 8, 14, 22
FIRST_SIGHT = len(STORY_WORDS)  # only the toy of beliefs knows these two
FORMS = ("clauses", "lists")


class Story(NamedTuple):
    """Stories of one length, and where their words stand.

    Attributes:
        tokens: BOS first.
        name_at, drink_at: positions, in the order of the story.
    """

    tokens: Int[Tensor, "story pos"]
    name_at: Int[Tensor, "story pair"]
    drink_at: Int[Tensor, "story pair"]


@guarded(tokens=axes(1))
def text(tokens: Int[Tensor, " pos"]) -> str:
    """The words of a row of tokens."""
    return " ".join((*STORY_WORDS, *SIGHT)[token] for token in tokens.tolist())


def _fits(n: int, given: Mapping) -> str | None:
    most = len(ORDINALS)
    return None if n <= most else f"is {n}: a story has {most} pairs at most"


@guarded(batch=count(), n=(count(), _fits))
def draw_words(
    batch: int, n: int, *, sets: int = 1, generator: torch.Generator
) -> tuple[Int[Tensor, "batch n"], Int[Tensor, "batch drink"]]:
    """For each story `n` different names, and different drinks for `sets` stories of them."""
    if not 1 <= sets * n <= len(DRINKS):
        raise ValueError(f"There are {len(DRINKS)} drinks, and {sets} sets of {n} are asked for.")
    names = torch.rand(batch, len(CHARACTERS), generator=generator).argsort(-1)[:, :n]
    drinks = torch.rand(batch, len(DRINKS), generator=generator).argsort(-1)[:, : sets * n]
    return names + FIRST_NAME, drinks + FIRST_DRINK


@guarded(names=(axes(2), filled), drinks=shaped_as("names"), fillers=count(low=0))
def write_story(
    names: Int[Tensor, "story pair"],
    drinks: Int[Tensor, "story pair"],
    *,
    form: str,
    fillers: int,
    generator: torch.Generator,
) -> Story:
    """Stories that say which name has which drink; `fillers` words stand between their parts.

    Args:
        form: "clauses" or "lists".
    """
    if form not in FORMS:
        raise ValueError(f"`form` is {form!r}: give 'clauses' or 'lists'.")
    batch, n = names.shape
    if form == "clauses":
        commas = torch.full_like(names, COMMA)
        parts = torch.stack([names, drinks, commas], dim=2)  # story, part, word
    else:
        commas = torch.full((batch, 2, 1), COMMA)
        parts = torch.cat([torch.stack([names, drinks], dim=1), commas], dim=2)
    n_parts, length = parts.shape[1:]
    slots = torch.rand(batch, n_parts + fillers, generator=generator).argsort(-1)[:, :n_parts]
    starts = 1 + slots.sort(-1).values + torch.arange(n_parts) * (length - 1)
    at = starts[:, :, None] + torch.arange(length)
    size = (batch, 1 + n_parts * length + fillers)
    tokens = torch.randint(len(FILLER_WORDS), size, generator=generator) + FIRST_FILLER
    tokens[:, 0] = BOS
    tokens.scatter_(1, at.flatten(1), parts.flatten(1))
    places = (at[:, :, 0], at[:, :, 1]) if form == "clauses" else (at[:, 0, :n], at[:, 1, :n])
    return Story(tokens, *places)


@guarded(tokens=axes(2), word=(axes(1), as_long_as("tokens")))
def ask(tokens: Int[Tensor, "story pos"], word: Int[Tensor, " story"]) -> Int[Tensor, "story _"]:
    """The stories, each with a question about a name or an ordinal at its end."""
    return torch.cat([tokens, torch.full_like(tokens[:, :1], ASKS), word[:, None]], dim=1)


@guarded(tokens=axes(2), name=(axes(1), as_long_as("tokens")))
@guarded(drink=(axes(1), as_long_as("tokens")), seen=(axes(1), as_long_as("tokens")))
def change(
    tokens: Int[Tensor, "story pos"],
    name: Int[Tensor, " story"],
    drink: Int[Tensor, " story"],
    seen: Int[Tensor, " story"],
) -> Int[Tensor, "story _"]:
    """The stories, and then a change that the others saw (1) or not (0): `Amy cocoa seen ,`.

    A question after it is about what the others believe.
    """
    comma = torch.full_like(name, COMMA)
    return torch.cat([tokens, torch.stack([name, drink, seen + FIRST_SIGHT, comma], 1)], dim=1)
