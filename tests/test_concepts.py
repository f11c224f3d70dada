"""Concepts: the data's splits, the instruments, and vectors made from pairs."""

import pytest
import torch

from utils import concepts, contrast
from utils.steering import Steering


def test_parts_share_no_topic_no_sentence_and_no_opening():
    for concept in concepts.CONCEPTS:
        fit, test = (concepts.pairs(concept, part=part) for part in ("fit", "test"))
        assert (len(fit), len(test)) == (30, 18)
        assert fit + test == concepts.pairs(concept)
        sentences = [text for pair in fit + test for text in pair]
        assert len(set(sentences)) == len(sentences)
    rows = [row for row in concepts._rows("pairs") if row["part"] == "fit"]
    held_out = [row for row in concepts._rows("pairs") if row["part"] == "test"]
    assert not {(r["concept"], r["topic"]) for r in rows} & {
        (r["concept"], r["topic"]) for r in held_out
    }
    choose, test = (concepts.openings(part=part) for part in ("choose", "test"))
    assert (len(choose), len(test)) == (8, 24) and not set(choose) & set(test)


def test_no_training_text_holds_a_sentence_of_a_pair_or_an_opening():
    texts = " ".join(row["text"] for row in concepts._rows("texts"))
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
    assert found.n_held_out == 96 and found.accuracy > least
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


def test_the_mean_over_tokens_leaves_out_bos_and_padding():
    resid = torch.tensor([[[9.0], [1], [3], [7]], [[9.0], [5], [0], [0]]])
    got = contrast.mean_over_tokens(resid, torch.tensor([4, 2]))
    assert got[:, 0].tolist() == pytest.approx([11 / 3, 5])


def test_a_text_steered_at_once_is_steered_like_one_in_two_pieces():
    resid, vector = torch.randn(2, 7, 4), torch.randn(4)
    whole = contrast.add_from(resid, vector, start=3, past=0)
    pieces = [
        contrast.add_from(resid[:, :5], vector, start=3, past=0),
        contrast.add_from(resid[:, 5:], vector, start=3, past=5),
    ]
    assert torch.allclose(whole, torch.cat(pieces, dim=1))
    assert torch.equal((whole - resid)[0, :, 0] != 0, torch.arange(7) >= 3)


@pytest.mark.parametrize(("here", "past"), [(7, 0), (2, 0), (1, 2), (1, 3), (4, 2), (3, 5)])
def test_adding_by_position_agrees_with_the_hook_of_steer(here, past):
    resid, vector = torch.randn(2, here, 4), torch.randn(4)
    steering = Steering(vector, layer=0, positions=slice(3, None))
    steering.past = past
    assert torch.equal(steering(resid), contrast.add_from(resid, vector, start=3, past=past))


class BiasedModel:
    """Words of one letter; the next is `a` with the given probability, else `b`."""

    def __init__(self, p: float):
        self.logits = torch.tensor([1e-9, p, 1 - p]).log()

    def to_tokens(self, text):
        return torch.tensor([[0, *("_ab".index(letter) for letter in text)]])

    def __call__(self, tokens):
        return self.logits.expand(*tokens.shape, 3)


def test_reading_pairs_gives_nats_a_token_and_leaves_padding_out():
    reading = contrast.read_pairs(BiasedModel(0.8), [("aaa", "bb"), ("a", "aab")])
    expected = torch.tensor([0.8, 0.8 ** (1 / 3)]) / torch.tensor([0.2, 0.2 ** (1 / 3)])
    assert torch.allclose(reading.preference, expected.log(), atol=1e-5)
    assert reading.is_text.sum(1).tolist() == [3, 1, 2, 3]


def test_the_cost_of_one_token_is_the_mean_surprise_over_that_of_its_own():
    pairs = [("aab", "b")]
    plain, steered = (contrast.read_pairs(BiasedModel(p), pairs) for p in (0.8, 0.1))
    surprise = -torch.tensor([0.8, 0.2]).log()
    factor = ((torch.tensor([0.1, 0.9]) - torch.tensor([0.8, 0.2])) @ surprise).exp()
    assert contrast.one_token_cost(steered, plain) == pytest.approx(factor.item(), rel=1e-4)
    assert contrast.one_token_cost(plain, plain) == pytest.approx(1)
