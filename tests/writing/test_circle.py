"""utils.emotions: the tables as they must be, and the measures on planted circles."""

import pytest
import torch

from data.emotions import task as emotions_task
from tests import small_models
from utils.steering import steer
from utils.writing import circle, figures


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_models.random_model("llama", tmp_path_factory.mktemp("llama"))


def test_the_tables_hold_enough_words_and_frames_and_the_frames_are_disjoint():
    words = emotions_task.read_words()
    fit, score = emotions_task.read_frames("fit"), emotions_task.read_frames("score")
    assert len(words.words) == len(set(words.words)) >= 24
    assert len(set(fit)) >= 60 and len(score) >= 6
    openings = {frame.rsplit(",", 1)[0] for frame in fit}
    clauses = {frame.rsplit(", ", 1)[1] for frame in fit}
    for frame in score:
        assert not any(frame.startswith(opening) for opening in openings)
        assert not any(frame.endswith(clause) for clause in clauses)
    texts = emotions_task.sentences(["sad", "calm"], ["I am", "He was"])
    assert texts == ["I am sad.", "He was sad.", "I am calm.", "He was calm."]


def test_folds_hold_out_every_word_once_and_whole_groups():
    words = emotions_task.read_words()
    masks = circle.folds(words, n=4, seed=1)
    assert torch.stack(masks).sum(0).tolist() == [1] * len(words.words)
    for mask in masks:
        out = {g for g, held in zip(words.groups, mask.tolist(), strict=True) if held}
        kept = {g for g, held in zip(words.groups, mask.tolist(), strict=True) if not held}
        assert not out & kept and len(out) == 3
    assert not torch.equal(masks[0], circle.folds(words, n=4, seed=2)[0])


def test_axes_that_were_planted_are_found_and_lead_where_they_should():
    words = emotions_task.read_words()
    planted = circle.random_plane(torch.zeros(2, 40), seed=0)
    noise = torch.randn(26, 40, generator=torch.Generator().manual_seed(1))
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


def test_circularity_ignores_rotation_and_reflection_and_p_is_small_for_them_only():
    angles = emotions_task.read_words().angles
    for found in (angles + 70, 20 - angles):
        assert circle.circularity(found, angles) == pytest.approx(1, abs=1e-5)
        assert circle.circularity_p(found, angles, n=200) == pytest.approx(1 / 201)
    mixed = angles[torch.randperm(26, generator=torch.Generator().manual_seed(0))]
    assert circle.circularity_p(mixed, angles, n=200) > 0.02


def test_next_logits_agree_with_steering_one_text_at_a_time(model):
    words = [model.tokenizer.decode([i]) for i in range(3, 9)]
    texts = [" ".join(words[:2]), " ".join(words)]
    changes = torch.randn(3, model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    columns = torch.tensor([4, 9])
    got = circle.next_logits(model, texts, columns, changes=changes, layer=1)
    assert got.shape == (3, 2, 2)
    for i, change in enumerate(changes):
        for j, text in enumerate(texts):
            with torch.no_grad(), steer(model, change, layer=1, positions=slice(1, None)):
                alone = model(model.to_tokens(text))[0, -1, columns]
            assert torch.allclose(got[i, j], alone.cpu(), atol=1e-4)
    plain = circle.next_logits(model, texts, columns)
    end = model.cfg.n_layers
    cut = circle.next_logits(model, texts, columns, changes=changes, layer=end, direct=False)
    assert torch.allclose(cut, plain.expand(3, -1, -1), atol=1e-4)  # no block is left to act


def test_without_span_copes_with_directions_that_depend_on_each_other():
    vectors = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    span = torch.eye(6)[[0, 0, 2]]
    got = circle.without_span(vectors, span)
    wanted = vectors.clone()
    wanted[:, [0, 2]] = 0
    assert torch.allclose(got, wanted, atol=1e-5)


def test_a_spoke_takes_the_short_way_round_and_the_dial_works_without_a_front_end():
    fig = figures.polar({"one": ([0, 350], [350, 10])}, title="t", names=["e", "n", "w", "s"])
    first, second = (spoke.theta for spoke in fig.data)
    assert (first[0], first[-1]) == (0, -10) and (second[0], second[-1]) == (350, 370)
    shown = figures.dial(lambda *given: f"<{given}>", angle=30, dose=0.5, prompt="I")
    assert repr(shown) == "<(30, 0.5, 'I')>" and "&lt;(30" in shown._repr_html_()
