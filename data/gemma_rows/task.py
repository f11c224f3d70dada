"""The words of lesson 3.3, Gemma's embedding of each, and word pairs of opposite feeling."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from data.concepts import task as concepts

FOLDER = Path(__file__).parent
TERMS = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "ai.google.dev/gemma/terms"
)


class Words(NamedTuple):
    """Words that SmolLM2 and Gemma both have as one token, most frequent first.

    Attributes:
        tokens: as SmolLM2's vocabulary spells them, `Ġ` for the space before the word.
        counts: how often each stands in `data/stories` and `data/chat`.
        gemma: Gemma-3-270M's embedding of each, from 8-bit weights.
    """

    tokens: list[str]
    counts: Int[Tensor, " word"]
    gemma: Float[Tensor, "word 640"]


def words() -> Words:
    """The words, their counts, and Gemma's rows."""
    counts = json.loads((FOLDER / "words.json").read_text(encoding="utf-8"))
    rows = load_file(FOLDER / "rows.safetensors")["embeddings"].float()
    return Words(list(counts), torch.tensor(list(counts.values())), rows)


def ratings(tokens: list[str]) -> Float[Tensor, " word"]:
    """VADER's rating of each word by itself, from -1 to 1; 0 for words that it does not have."""
    return concepts.sentiment([token.lstrip("Ġ") for token in tokens])


def word_pairs(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs (positive word, negative word) of like frequency, for log-odds.

    Words of four letters or more that VADER rates above .3 or below -.3, none of which begins as a
    word of the contrast pairs for sentiment does.

    Args:
        counts: of the words that are allowed.
    """
    said = " ".join(s.lower() for pair in concepts.pairs("sentiment") for s in pair)
    # `loss`, `lose` and `fight` are left out by hand, for `lost` and `fought`.
    stems = tuple({word[:4] for word in re.findall("[a-z]{3,}", said)} | {"los", "fight"})
    allowed = [
        token
        for token in sorted(counts, key=lambda token: (-counts[token], token))
        if re.fullmatch("Ġ[a-z]{4,}", token) and not token[1:].startswith(stems)
    ]
    rating = dict(zip(allowed, ratings(allowed).tolist(), strict=True))
    positive, found = [token for token in allowed if rating[token] > 0.3], []
    for negative in (token for token in allowed if rating[token] < -0.3):
        if positive:
            near = min(positive, key=lambda token: abs(counts[token] / counts[negative] - 1))
            positive.remove(near)
            found.append((near, negative))
    return found


def recorded() -> dict:
    """What the recipe measured in the whole of Gemma: `steering.json`."""
    return json.loads((FOLDER / "steering.json").read_text(encoding="utf-8"))
