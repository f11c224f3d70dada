"""Concepts: the data's splits, the instruments, and vectors made from pairs."""

import math

import pytest
import torch

from data.concepts import task as concepts
from utils.steering import Steering
from utils.writing import contrast


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


def test_directions_are_those_of_their_methods():
    generator = torch.Generator().manual_seed(0)
    no = torch.randn(6, 4, generator=generator)
    gap = torch.tensor([2.0, 0, 0, 0]) + 0.1 * torch.randn(6, 4, generator=generator)
    yes = no + gap
    assert torch.allclose(contrast.direction(yes, no, "CAA"), gap.mean(0), atol=1e-6)
    assert torch.allclose(contrast.direction(yes, no, "pair 4"), gap[4], atol=1e-6)
    assert torch.cosine_similarity(contrast.direction(yes, no, "probe"), gap.mean(0), dim=0) > 0.5
    with pytest.raises(ValueError, match="choose CAA"):
        contrast.direction(yes, no, "mean")


def test_an_effect_is_reached_on_the_line_between_two_doses():
    curve = [0.1, 0.3, 0.7], [0.2, 0.6, 0.4], [0.0, 1.0, 5.0]
    assert contrast.where_reached(*curve, wanted=0.4) == pytest.approx((0.2, 0.5))
    assert contrast.where_reached(*curve, wanted=0.1) == pytest.approx((0.05, 0.0))
    assert all(math.isnan(each) for each in contrast.where_reached(*curve, wanted=0.61))


def test_the_shipped_samples_are_whole_and_belong_to_their_numbers():
    shipped = concepts.steered_texts()
    methods = ("CAA", "probe", "pair 0", "pair 10", "pair 20")
    doses = (0.1, 0.2, 0.3, 0.5, 0.7)
    keys = {(method, c, dose) for method in methods for c in concepts.CONCEPTS for dose in doses}
    keys |= {(f"random {i}", "", dose) for i in range(5) for dose in doses}
    keys |= {("request", c, 0.0) for c in concepts.CONCEPTS} | {("unsteered", "", 0.0)}
    assert set(shipped) == keys
    for run in shipped.values():
        assert len(run.texts) == 96 and run.loss.shape == run.two.shape == (3, 32)
        assert (run.loss > 0).all() and (run.three <= run.two + 0.06).all() and run.two.max() < 1
    assert len({text for run in shipped.values() for text in run.texts}) > 9000
    rows = concepts._rows("texts", folder="steering_sweep")
    at = [(row["seed"], row["opening"]) for row in rows[:96]]
    assert at == [(str(seed), str(i)) for seed in range(3) for i in range(32)]
    run = shipped["CAA", "sentiment", 0.7]
    score = run.score("sentiment")
    assert score[1, 2] == concepts.sentiment(run.texts)[34] and score.shape == (3, 32)


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


def test_labelled_texts_are_those_of_the_classifier():
    texts, labels, subjects = concepts.labelled_texts("sea")
    assert len(texts) == len(labels) == len(subjects) == 384
    assert labels.sum() == 192 and len(set(subjects)) == 32
    for subject in set(subjects):  # a subject is of the sea, or it is not
        assert len({int(y) for y, s in zip(labels, subjects, strict=True) if s == subject}) == 1
    with pytest.raises(ValueError, match="choose from formality, sea"):
        concepts.labelled_texts("sentiment")
