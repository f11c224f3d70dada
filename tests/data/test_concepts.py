"""Concepts: the data's splits, the instruments, and the shipped samples."""

import pytest
import torch

from data.concepts import task as concepts


def test_parts_share_no_topic_no_sentence_and_no_opening():
    for concept in concepts.CONCEPTS:
        fit, test = (concepts.pairs(concept, part=part) for part in ("fit", "test"))
        assert (len(fit), len(test)) == (30, 18)
        assert fit + test == concepts.pairs(concept)
        sentences = [text for pair in fit + test for text in pair]
        assert len(set(sentences)) == len(sentences)
    rows = [row for row in concepts.read_rows("pairs") if row["part"] == "fit"]
    held_out = [row for row in concepts.read_rows("pairs") if row["part"] == "test"]
    assert not {(r["concept"], r["topic"]) for r in rows} & {
        (r["concept"], r["topic"]) for r in held_out
    }
    choose, test = (concepts.openings(part=part) for part in ("choose", "test"))
    assert (len(choose), len(test)) == (8, 24) and not set(choose) & set(test)


def test_no_training_text_holds_a_sentence_of_a_pair_or_an_opening():
    texts = " ".join(row["text"] for row in concepts.read_rows("texts"))
    for concept in concepts.CONCEPTS:
        assert not [t for pair in concepts.pairs(concept) for t in pair if t in texts]
    assert not [
        t for part in ("choose", "test") for t in concepts.openings(part=part) if t in texts
    ]


def test_sentiment_knows_good_bad_and_not_good():
    good, bad, negated = concepts.sentiment(["This is good.", "This is bad.", "This is not good."])
    assert good > 0 > bad and negated < 0


@pytest.mark.parametrize(("concept", "least"), [("formality", 0.85), ("sea", 0.7)])
def test_a_classifier_is_good_on_subjects_it_has_not_seen_and_ranks_pairs(concept, least):
    found = concepts.classifier(concept)
    assert len(found.right) == len(found.subjects) == 96 and found.right.mean() > least
    yes, no = (found.scores(half) for half in zip(*concepts.pairs(concept), strict=True))
    assert (yes > no).float().mean() > 0.85
    assert torch.equal(concepts.score(concept, ["The waves."]), found.scores(["The waves."]))
    assert yes.abs().max() <= 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda: concepts.pairs("anger"),
        lambda: concepts.pairs("sea", part="train"),
        lambda: concepts.openings(part="fit"),
        lambda: concepts.classifier("sentiment"),
        lambda: concepts.score("anger", ["text"]),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(ask):
    with pytest.raises(ValueError, match="choose from"):
        ask()


def test_the_shipped_samples_are_whole_and_belong_to_their_numbers():
    shipped = concepts.steered_texts()
    doses = (0.1, 0.2, 0.3, 0.4)
    keys = {("CAA", c, dose) for c in concepts.CONCEPTS for dose in doses}
    keys |= {("request", c, 0.0) for c in concepts.CONCEPTS}
    keys |= {(f"{m}request + CAA", c, 0.2) for c in concepts.CONCEPTS for m in ("", "neutral ")}
    keys |= {("unsteered", "", 0.0), ("neutral request", "", 0.0)}
    keys |= {("random", "", 0.3), ("turned", "", 0.3)}
    keys |= {(f"{m} at the end", c, 0.3) for c in concepts.CONCEPTS for m in ("shift", "vector")}
    assert set(shipped) == keys
    for (method, _, _), run in shipped.items():
        n = {"random": 12, "turned": 36, "unsteered": 4, "neutral request": 4}.get(method, 2)
        assert run.loss.shape == run.after_neutral.shape == (n, 48)
        assert len(run.texts) == 48 * n and (run.loss > 0).all()
    run = shipped["CAA", "sentiment", 0.4]
    assert run.score("sentiment")[1, 2] == concepts.sentiment(run.texts)[50]


def test_the_swept_layers_goes_by_seed_way_dose_and_opening():
    swept = concepts.swept_layers("sentiment")
    assert list(swept.at) == [5, 10, 15, 20, 25]
    assert swept.base.shape == (2, 2, 4, 2, 8)
    for layer, each in swept.at.items():
        scores = concepts.sentiment(swept.texts[layer]).view(2, 2, 4, 8)
        assert torch.equal(each[:, :, :, 0], scores) and (each[:, :, :, 1] > 0).all()


def test_labelled_texts_are_those_of_the_classifier():
    texts, labels, subjects = concepts.labelled_texts("sea")
    assert len(texts) == len(labels) == len(subjects) == 384
    assert labels.sum() == 192 and len(set(subjects)) == 32
    for subject in set(subjects):  # a subject is of the sea, or it is not
        assert len({int(y) for y, s in zip(labels, subjects, strict=True) if s == subject}) == 1
    with pytest.raises(ValueError, match="choose from formality, sea"):
        concepts.labelled_texts("sentiment")
