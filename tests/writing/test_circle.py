"""The circle of emotions: splits, axes and measures on planted circles."""

import pytest
import torch

from data.emotions import task as emotions_task
from tests import small_models
from utils.steering import steer
from utils.writing import circle


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_models.random_model("llama", tmp_path_factory.mktemp("llama"))


def test_folds_hold_out_every_word_once_and_whole_groups():
    words = emotions_task.read_words()
    masks = circle.folds(words, n=4, generator=seeded(1))
    assert torch.stack(masks).sum(0).tolist() == [1] * len(words.words)
    for mask in masks:
        out = {g for g, held in zip(words.groups, mask.tolist(), strict=True) if held}
        kept = {g for g, held in zip(words.groups, mask.tolist(), strict=True) if not held}
        assert not out & kept and len(out) == 3
    assert not torch.equal(masks[0], circle.folds(words, n=4, generator=seeded(2))[0])


def test_axes_that_were_planted_are_found_and_lead_where_they_should():
    words = emotions_task.read_words()
    planted = circle.orthonormal(torch.randn(2, 40, generator=seeded(0)))
    noise = torch.randn(26, 40, generator=seeded(1))
    vectors = 10 * circle.on_circle(words.angles) @ planted + 0.005 * noise
    axes = circle.circle_axes(vectors, words.angles, ridge=1e-4)
    assert torch.allclose(axes @ axes.T, torch.eye(2), atol=1e-5)
    turns = torch.arange(0, 360, 30.0)
    gain = circle.towards(axes, turns) @ vectors.T + 3
    found = circle.measured_angle(gain, words.angles)
    assert circle.angular_error(found, turns).max() < 3
    low, high = circle.error_interval(gain[None], words, turns, n=50)
    assert 0 <= low <= high < 3
    same = circle.error_interval(gain[None], words, turns, minus=gain[None], n=20)
    assert same == (0, 0)
    worse = circle.error_interval(gain.roll(6, 0)[None], words, turns, minus=gain[None], n=20)
    assert worse[0] > 90


def test_the_axes_are_those_of_ridge_regression_in_closed_form():
    words = emotions_task.read_words()
    vectors = torch.randn(26, 40, generator=seeded(3)).double() + 1
    x, y = (each - each.mean(0) for each in (vectors, circle.on_circle(words.angles).double()))
    products = x @ x.T
    penalty = 0.3 * products.diagonal().mean() * torch.eye(26)
    slopes = (x.T @ torch.linalg.solve(products + penalty, y)).T
    axes = circle.circle_axes(vectors, words.angles, ridge=0.3)
    torch.testing.assert_close(axes, circle.orthonormal(slopes), atol=1e-6, rtol=0)


def test_circularity_ignores_rotation_and_reflection_and_p_is_small_for_them_only():
    angles = emotions_task.read_words().angles
    for found in (angles + 70, 20 - angles):
        assert circle.circularity(found, angles) == pytest.approx(1, abs=1e-5)
        assert circle.circularity_p(found, angles, n=200) == pytest.approx(1 / 201)
    mixed = angles[torch.randperm(26, generator=seeded(0))]
    assert circle.circularity_p(mixed, angles, n=200) > 0.02


def test_steered_logits_agree_with_steering_one_text_at_a_time(model):
    texts = ["w3", "w7"]
    changes = torch.randn(3, model.cfg.d_model, generator=seeded(0))
    columns = torch.tensor([4, 9])
    got = circle.steered_logits(model, texts, columns, changes=changes, layer=1)
    assert got.shape == (3, 2, 2)
    for i, change in enumerate(changes):
        for j, text in enumerate(texts):
            with torch.no_grad(), steer(model, change, layer=1, positions=slice(1, None)):
                alone = model(model.to_tokens(text))[0, -1, columns]
            assert torch.allclose(got[i, j], alone.cpu(), atol=1e-4)
    plain = circle.steered_logits(model, texts, columns)
    end = model.cfg.n_layers
    cut = circle.steered_logits(model, texts, columns, changes=changes, layer=end, direct=False)
    assert torch.allclose(cut, plain.expand(3, -1, -1), atol=1e-4)  # no block is left to act


def test_ring_score_tells_a_ring_from_a_disc_and_takes_many_at_once():
    ring = circle.on_circle(torch.arange(0, 360, 12.0)) * torch.tensor([3.0, 0.5]) + 1
    disc = torch.randn(30, 2, generator=seeded(0))
    both = circle.ring_score(torch.stack([ring, disc]))
    assert both[0] < 1e-4 < 0.3 < both[1]
    assert both[1] == pytest.approx(float(circle.ring_score(disc)), abs=1e-5)


def test_emotion_vectors_take_what_the_notebook_gives_them():
    """One layer of `activations` at a time, as lesson 3.2 stacks them."""
    planted = torch.randn(2, 3, 1, 5, generator=seeded(0))  # [layer, word, 1, d_model]
    noise = torch.randn(2, 3, 4, 5, generator=seeded(1))
    resid = (planted + noise - noise.mean(2, keepdim=True)).flatten(1, 2)
    vectors = torch.stack([circle.emotion_vectors(each, 3) for each in resid])
    assert torch.allclose(vectors, (planted - planted.mean(1, keepdim=True))[:, :, 0], atol=1e-5)
