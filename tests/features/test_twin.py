"""A trained model's random twin: what is redrawn, what stays, and that it is always the same."""

import torch

from tests.small_models import random_model
from utils.features.twin import matched_random


def test_matrices_keep_mean_and_deviation_and_the_rest_stays(tmp_path):
    model = random_model("qwen2", tmp_path)  # it has biases, too
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    twin = matched_random(model, seed=0)
    assert twin.training is False and type(twin) is type(model)
    changed = 0
    for name, weight in twin.named_parameters():
        was = before[name]
        assert torch.equal(dict(model.named_parameters())[name], was), f"{name} of the model moved"
        if "layers" in name and was.ndim == 2:
            assert (weight.std() / was.std() - 1).abs() < 0.15, name
            assert (weight.mean() - was.mean()).abs() < 4 * was.std() / was.numel() ** 0.5, name
            aligned = torch.corrcoef(torch.stack([weight.flatten(), was.flatten()]))[0, 1]
            assert aligned.abs() < 4 / was.numel() ** 0.5, name
            changed += 1
        else:
            assert torch.equal(weight, was), name
    assert changed == 3 * 7


def test_the_twin_is_the_same_for_the_same_seed_alone(tmp_path):
    model = random_model("llama", tmp_path)
    tokens = torch.arange(8)[None]
    torch.manual_seed(1)
    one = matched_random(model, seed=0)(tokens)
    torch.manual_seed(2)
    assert torch.equal(one, matched_random(model, seed=0)(tokens))
    assert not torch.allclose(one, matched_random(model, seed=1)(tokens))
    assert not torch.allclose(one, model(tokens))
