"""Concepts to steer towards, and instruments that tell how much of one a text has.

Contrast pairs say what a concept is; a lexicon or a classifier, trained on other text, measures it.
`data/concepts/README.md` says where the texts come from. Every score runs from -1 to 1.
"""

import csv
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import filled, guarded, several

CONCEPTS = ("sentiment", "formality", "sea")
START = "<|im_start|>"
REQUEST = "<|im_start|>user\nWrite {}.<|im_end|>\n<|im_start|>assistant\n"
WANTED = {  # what to ask of a model, in REQUEST
    "sentiment": "a very happy and positive text",
    "formality": "a very formal and official text",
    "sea": "a text about the sea",
    "neutral": "a text",
}
_DATA = Path(__file__).resolve().parents[1]


def read_rows(name: str, *, folder: str = "concepts") -> list[dict[str, str]]:
    """The rows of `data/FOLDER/NAME.csv`, by column.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged: it is empty, or a row has too few or too many columns.
    """
    path = _DATA / folder / f"{name}.csv"
    again = "get the repository's data again."
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}: {again}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    odd = [i for i, row in enumerate(rows, 1) if None in row or None in row.values()]
    if odd or not rows:
        raise ValueError(f"{path} is damaged at row {odd[0] if odd else 1}: {again}")
    return rows


def _known(concept: str, names: Sequence[str] = CONCEPTS) -> None:
    if concept not in names:
        raise ValueError(f"There is no {concept!r} here; choose from {', '.join(names)}.")


def pairs(concept: str, *, part: str | None = None) -> list[tuple[str, str]]:
    """Contrast pairs: nearly the same sentence with the concept, and without or with its opposite.

    Args:
        concept: "sentiment" (positive, negative), "formality" (formal, casual) or "sea" (the sea,
            the land).
        part: "fit" or "test", which share no topic; None gives both, fit first.

    Returns:
        48 pairs (with, without): 30 to fit and 18 to test.

    Raises:
        ValueError: there is no such concept or part.
    """
    _known(concept)
    _known(part or "fit", ("fit", "test"))
    return [
        (row["with"], row["without"])
        for row in read_rows("pairs")
        if row["concept"] == concept and part in (None, row["part"])
    ]


def labelled_texts(concept: str) -> tuple[list[str], Int[Tensor, " text"], list[str]]:
    """What the model wrote when it was asked for a concept, or for its opposite.

    Args:
        concept: "formality" or "sea".

    Returns:
        384 texts of 40 tokens; label 1 for those with the concept; their subjects, to hold out.

    Raises:
        ValueError: there are no such texts.
    """
    _known(concept, CONCEPTS[1:])
    rows = [row for row in read_rows("texts") if row["concept"] == concept]
    labels = torch.tensor([int(row["label"]) for row in rows])
    return [row["text"] for row in rows], labels, [row["subject"] for row in rows]


def openings(*, part: str) -> list[str]:
    """Beginnings of texts, about nothing in particular, for a model to continue.

    Args:
        part: "choose" (8, to choose a layer and a dose on), "test" (24) or "confirm" (24, written
            when all choices had been made).

    Raises:
        ValueError: there is no such part.
    """
    _known(part, ("choose", "test", "confirm"))
    return [row["opening"] for row in read_rows("openings") if row["part"] == part]


@guarded(texts=(several, filled))
def sentiment(texts: Sequence[str]) -> Float[Tensor, " text"]:
    """VADER's compound score of each text, from -1 (negative) to 1 (positive).

    A lexicon of 7,500 rated words with rules for negation and emphasis.
    Source: Hutto and Gilbert, 2014.
    """
    analyser = _vader()
    return torch.tensor([analyser.polarity_scores(text)["compound"] for text in texts])


@functools.cache
def _vader():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


class Classifier(NamedTuple):
    """A small text classifier, and how good it is.

    Attributes:
        pipeline: scikit-learn's, with `predict_proba`.
        right: 1 where it is right, of texts about subjects that it was not trained on.
        subjects: of those texts; they differ by subject, so hold out and draw whole subjects.
    """

    pipeline: Any
    right: Float[Tensor, " text"]
    subjects: list[str]

    @guarded(texts=(several, filled))
    def scores(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        """2 p - 1, where p is its probability that the text has the concept."""
        return torch.from_numpy(2 * self.pipeline.predict_proba(list(texts))[:, 1] - 1).float()


@functools.cache
def classifier(concept: str) -> Classifier:
    """Logistic regression on character n-grams, for "formality" or "sea" (half a second).

    Trained on `texts.csv`, which the model wrote when asked for the concept: none of it continues
    an opening, and none is a sentence of `pairs`. Every fourth subject is held out.

    Raises:
        ValueError: there is no such classifier. Sentiment has a lexicon instead.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    _known(concept, CONCEPTS[1:])
    rows = [row for row in read_rows("texts") if row["concept"] == concept]
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    held_out = set(subjects[::4])
    train = [row for row in rows if row["subject"] not in held_out]
    test = [row for row in rows if row["subject"] in held_out]

    def labels(rows: list[dict[str, str]]) -> list[int]:
        return [int(row["label"]) for row in rows]

    pipeline = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1000),
    ).fit([row["text"] for row in train], labels(train))
    said = torch.from_numpy(pipeline.predict([row["text"] for row in test]))
    right = (said == torch.tensor(labels(test))).float()
    return Classifier(pipeline, right, [row["subject"] for row in test])


def score(concept: str, texts: Sequence[str]) -> Float[Tensor, " text"]:
    """How much of a concept each text has, from -1 to 1: `sentiment`, or a classifier's `scores`.

    Raises:
        ValueError: there is no such concept.
    """
    _known(concept)
    return sentiment(texts) if concept == "sentiment" else classifier(concept).scores(texts)


class SteeredTexts(NamedTuple):
    """What the model wrote under one method at one dose, after each of 48 openings.

    The openings are those of `openings`: part "test" (24), then part "confirm" (24).

    Attributes:
        texts: sample by sample, and opening by opening within a sample; 20 tokens each.
        loss: of a token, a mean, in nats, when the unsteered model reads the text after the bare
            opening.
        after_neutral: the same after the neutral request ("Write a text.") and the opening.
    """

    texts: list[str]
    loss: Float[Tensor, "sample opening"]
    after_neutral: Float[Tensor, "sample opening"]

    def score(self, concept: str) -> Float[Tensor, "sample opening"]:
        """How much of a concept each text has, from -1 to 1."""
        return score(concept, self.texts).view_as(self.loss)


@functools.cache
def steered_texts() -> dict[tuple[str, str, float], SteeredTexts]:
    """The samples that `data/steering_sweep/texts.csv` holds, by (method, concept, dose).

    Methods are listed in `data/steering_sweep/README.md`. Each has two samples of an opening,
    "unsteered" and "neutral request" have four; "random" and "turned", with the concept "", have
    one for each of their directions.
    """
    rows: dict[tuple[str, str, float], list[dict[str, str]]] = {}
    for row in read_rows("texts", folder="steering_sweep"):
        rows.setdefault((row["method"], row["concept"], float(row["dose"])), []).append(row)

    def numbers(group: list[dict[str, str]], name: str) -> Float[Tensor, "sample opening"]:
        return torch.tensor([float(row[name]) for row in group]).view(-1, 48)

    return {
        key: SteeredTexts(
            [row["text"] for row in group],
            *(numbers(group, name) for name in ("loss", "after_neutral")),
        )
        for key, group in rows.items()
    }


class LayerSweep(NamedTuple):
    """Scores and losses of text steered at some layers, after the eight openings for choosing.

    The axes are [seed way dose number opening], after `utils.writing.contrast.dose_sweep` with two
    seeds; `number` holds the score of the concept, and the mean loss of a token in nats.

    Attributes:
        base: the same rows unsteered, with the same random numbers.
        at: steered at each layer.
        texts: of each layer, by seed, way, dose and opening.
    """

    base: Float[Tensor, "seed way dose number opening"]
    at: dict[int, Float[Tensor, "seed way dose number opening"]]
    texts: dict[int, list[str]]


def swept_layers(concept: str) -> LayerSweep:
    """The samples that `data/steering_sweep/sweep.csv` holds for a concept.

    Raises:
        ValueError: there is no such concept.
    """
    _known(concept)
    n_openings = len(openings(part="choose"))
    layers: dict[int, list[dict[str, str]]] = {}
    for row in read_rows("sweep", folder="steering_sweep"):
        if row["concept"] in ("", concept):
            layers.setdefault(int(row["layer"]), []).append(row)

    def numbers(group: list[dict[str, str]]) -> Float[Tensor, "seed way dose number opening"]:
        scores = score(concept, [row["text"] for row in group])
        both = torch.stack([scores, torch.tensor([float(row["loss"]) for row in group])], 1)
        return both.view(2, 2, -1, n_openings, 2).mT

    base, *at = (numbers(group) for group in layers.values())
    texts = {layer: [row["text"] for row in group] for layer, group in layers.items() if layer}
    return LayerSweep(base, dict(zip(texts, at, strict=True)), texts)
