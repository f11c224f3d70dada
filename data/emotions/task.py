"""Words of emotion, their places on a circle, and sentences to read and to score them in.

Angles are in degrees on the circle of Russell, 1980 ("A circumplex model of affect", Journal of
Personality and Social Psychology 39): 0 is pleasure, 90 arousal, 180 displeasure, 270 sleepiness.
`data/emotions/README.md` says where the words and the sentences come from.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from data.concepts.task import read_rows
from utils.guards import filled, guarded, several


class Words(NamedTuple):
    """Words of emotion, one entry each.

    Attributes:
        angles: Russell's, in degrees.
        groups: near synonyms share one; a split must not part them.
        quadrants: of each word's group, 1 to 4.
    """

    words: list[str]
    angles: Float[Tensor, " word"]
    groups: list[str]
    quadrants: list[int]


def read_words() -> Words:
    """The words of `data/emotions/words.csv`."""
    rows = read_rows("words", folder="emotions")
    return Words(
        [row["word"] for row in rows],
        torch.tensor([float(row["angle"]) for row in rows]),
        [row["group"] for row in rows],
        [int(row["quadrant"]) for row in rows],
    )


def read_frames(use: str) -> list[str]:
    """The beginnings of sentences in `data/emotions/frames.csv` that are for "fit" or "score".

    Raises:
        ValueError: for any other use.
    """
    if use not in ("fit", "score"):
        raise ValueError(f'There are no frames to {use!r}: ask for "fit" or "score".')
    return [row["frame"] for row in read_rows("frames", folder="emotions") if row["use"] == use]


@guarded(words=(several, filled), frames=(several, filled))
def sentences(words: Sequence[str], frames: Sequence[str]) -> list[str]:
    """Every frame with every word and a full stop; the sentences of a word are neighbours."""
    return [f"{frame} {word}." for word in words for frame in frames]
