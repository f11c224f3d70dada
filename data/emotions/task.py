"""Words of emotion, their places on a circle, and sentences to read and to score them in.

Angles are in degrees on the circle of Russell, 1980 ("A circumplex model of affect", Journal of
Personality and Social Psychology 39): 0 is pleasure, 90 arousal, 180 displeasure, 270 sleepiness.
`data/emotions/README.md` says where the words and the sentences come from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from data.concepts.task import read_rows
from utils.guards import filled, guarded, several

# What happens to somebody, and its place on the circle: four beginnings for each of six places.
SITUATIONS = {
    "Her daughter was born healthy in the morning. She felt": 10,
    "He opened the present, and it was just what he had wanted. He felt": 10,
    "The doctor called to say that all the tests were fine. She felt": 10,
    "His old friend stood at the door with a cake and a bottle of wine. He felt": 10,
    "She won the race, and the whole crowd cheered for her. She felt": 50,
    "They danced and shouted until the morning came. They felt": 50,
    "The plane took off on their first journey round the world. She felt": 50,
    "In the last minute he scored, and the whole team ran to him. He felt": 50,
    "A stranger followed her down the dark street. She felt": 115,
    "The man had broken his window again and laughed at him. He felt": 115,
    "At night someone tried to open the kitchen window. He felt": 115,
    "Her boss shouted at her for a mistake that another had made. She felt": 115,
    "His dog had died in the night, and the house was empty. He felt": 210,
    "Nobody called her for weeks, and it rained every day. She felt": 210,
    "She read his letter, and knew that he would never come back. She felt": 210,
    "He sat alone at the long table on his birthday. He felt": 210,
    "It was past midnight, and he had worked for sixteen hours. He felt": 268,
    "She had not slept for two days. She felt": 268,
    "After a night on the road he could hardly keep his eyes open. He felt": 268,
    "She had carried boxes from six in the morning until dark. She felt": 268,
    "She lay in the warm grass and listened to the river. She felt": 320,
    "After the massage he sat in the sun with a cup of tea. He felt": 320,
    "The children were asleep, and the fire burned low. She felt": 320,
    "He walked slowly by the lake, with nothing to do all day. He felt": 320,
}

# Beginnings of texts to test on.
TO_TEST = [
    "When I woke up, I",
    "On the train this morning I",
    "I looked at the sky and",
    "On my way to school I",
    "I listened to the music and",
    "When the door closed, I",
    "I walked up the stairs and",
    "I put down the book and",
    "I looked into the mirror and",
    "After the long meeting today I",
    "I came home from work and",
    "On the bus this evening I",
    "The phone rang, and I",
    "At the lake last summer I",
    "My sister called me, and I",
    "My neighbour came over, and I",
    "I sat down at the table and",
    "The bus was late, so I",
    "At the end of the street I",
    "I waited at the bus stop and",
    "I saw the old house and I",
    "I heard the news and then I",
    "My brother came in, and I",
    "I went down to the river and",
]


class EmotionWords(NamedTuple):
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


def read_words() -> EmotionWords:
    """The words of `data/emotions/words.csv`."""
    rows = read_rows("words", folder="emotions")
    return EmotionWords(
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


def read_stories() -> dict[str, list[str]]:
    """Word -> its forty stories in `data/emotions/stories.csv`, one for each subject."""
    stories: dict[str, list[str]] = {}
    for row in read_rows("stories", folder="emotions"):
        stories.setdefault(row["word"], []).append(row["text"])
    return stories


def read_vectors() -> dict[str, Float[Tensor, "word d_model"]]:
    """The vectors of `data/emotions/vectors.safetensors`: "word 20", "story 17" and others.

    The number is the layer. Rows are the words of `read_words`.
    """
    file = load_file(Path(__file__).parent / "vectors.safetensors")
    return {name: vectors.float() for name, vectors in file.items()}


def read_readings() -> dict[str, Float[Tensor, "..."]]:
    """The logits and losses of `data/emotions/readings.safetensors`; see `readings.py`."""
    file = load_file(Path(__file__).parent / "readings.safetensors")
    return {name: each.float() for name, each in file.items()}


def read_controls() -> dict[str, Float[Tensor, "turn word"]]:
    """What held-out words gain under other ways of steering; see `controls.py`."""
    file = load_file(Path(__file__).parent / "controls.safetensors")
    return {name: each.float() for name, each in file.items()}
