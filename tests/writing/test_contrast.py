"""Contrast vectors, the hook that adds them, and curves that are read off."""

import pytest
import torch

from data.concepts import task as concepts
from tests.small_models import random_model
from utils.steering import Steering
from utils.writing import contrast


@pytest.mark.parametrize("pieces", [[7], [5, 1, 1], [2, 1, 1, 3]])
def test_the_counting_hook_agrees_with_the_hook_of_steer(pieces):
    vectors, whole = torch.randn(2, 4), torch.randn(2, 7, 4)
    steering = Steering(vectors[:, None], layer=0, positions=slice(3, None))
    hook, past = contrast.steering_hook(vectors, start=3), 0
    for part in whole.split(pieces, 1):
        steering.past = past
        past += part.shape[1]
        assert torch.equal(steering(part), hook(part))


def test_half_of_the_pairs_is_turned_and_the_mean_difference_cancels():
    pairs = [(f"a{i}", f"b{i}") for i in range(9)]
    first, second = contrast.half_turned(pairs, generator=torch.Generator().manual_seed(0))
    assert sum(text[0] == "b" for text in first) == 4
    assert [a[1:] for a in first] == [b[1:] for b in second] == [str(i) for i in range(9)]


def test_reading_off_takes_one_dose_for_all_openings():
    values = torch.tensor([[1.0, 3.0], [5.0, 3.0]])
    along = torch.tensor([[0.0, 2.0], [3.0, 3.0]])
    assert contrast.read_off(values, along, 2.0).tolist() == [3.0, 3.0]
    assert contrast.read_off(values, along, 0.5).tolist() == [0.5, 1.5]
    assert contrast.read_off(values, along, 9.0).isnan().all()


def test_the_sealed_results_keep_their_budget():
    sealed = contrast.Sealed(None, torch.add, runs=0)
    with pytest.raises(ValueError, match="No run is left"):
        sealed.run("A", torch.ones(1, 3).long())
    assert len(concepts.openings(part="confirm")) == 24


def test_at_the_last_block_a_vector_shifts_the_end_by_itself_and_by_what_the_block_adds(tmp_path):
    model = random_model("llama", tmp_path)
    tokens, vectors = torch.tensor([[0, 1, 2, 3], [0, 3, 1, 2]]), torch.randn(2, model.cfg.d_model)
    found = contrast.shift_at_end(model, tokens, vectors, layer=0)
    name = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    for vector, shift in zip(vectors, found, strict=True):
        hook = contrast.steering_hook(vector.expand(2, -1))
        with model.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", hook)]):
            _, moved = model.run_with_cache(tokens)
        _, cache = model.run_with_cache(tokens)
        torch.testing.assert_close(shift, (moved[name] - cache[name])[:, 1:].mean((0, 1)))
