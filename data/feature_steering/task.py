"""What SmolLM2 wrote while a feature, or a difference of means, steered it: the shipped texts."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

FILE = Path(__file__).parent / "texts.csv"


class Written(NamedTuple):
    """What the model wrote under one vector.

    Attributes:
        latent: which one steered; -1 where none did.
        texts: 20 tokens each.
        openings: the number of the opening that each continues.
        loss: [text], of a token, a mean, in nats, when the unsteered model reads it.
        two: [text], the share of repeated 2-grams.
    """

    latent: int
    texts: list[str]
    openings: list[int]
    loss: Float[Tensor, " text"]
    two: Float[Tensor, " text"]


def written_texts() -> dict[str, Written]:
    """The shipped texts by run: "unsteered", "sea, feature", "random latent 0" and so on.

    Raises:
        ValueError: the file is damaged.
    """
    rows: dict[str, list[Mapping[str, str]]] = {}
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row.get("run"), []).append(row)
    damaged = f"{FILE} is damaged: get it again, by `git checkout`, or make it (`make.py`)."
    if len({len(group) for group in rows.values()}) != 1:  # each run has as many texts
        raise ValueError(damaged)
    try:
        return {
            run: Written(
                int(group[0]["latent"]),
                [row["text"] for row in group],
                [int(row["opening"]) for row in group],
                *(torch.tensor([float(row[name]) for row in group]) for name in ("loss", "two")),
            )
            for run, group in rows.items()
        }
    except (KeyError, TypeError, ValueError):
        raise ValueError(damaged) from None
