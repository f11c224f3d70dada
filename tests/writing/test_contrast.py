"""Vectors made from pairs, and what one forward pass says of steering with them."""

from types import SimpleNamespace

import pytest
import torch

from utils.steering import Steering
from utils.writing import contrast


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


class BiasedModel:
    """Words of one letter; the next is `a` with the given probability, else `b`."""

    cfg = SimpleNamespace(n_ctx=8)

    def __init__(self, p: float):
        self.logits = torch.tensor([1e-9, p, 1 - p]).log()

    def to_tokens(self, text, **_):
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
