"""Scores, costs and controls of induction heads, on a small random model."""

import pytest
import torch

from tests.small_models import random_model
from utils.circuits import induction
from utils.heads import ablated, ablation_hooks


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("induction"))


@pytest.fixture(scope="module")
def tokens():
    return induction.repeated_tokens(
        5, batch=3, d_vocab=40, bos=0, n_special=1, generator=torch.Generator().manual_seed(0)
    )


def test_repeated_tokens_repeat(tokens):
    assert tokens.shape == (3, 11) and not tokens[:, 0].any()
    assert torch.equal(tokens[:, 1:6], tokens[:, 6:]) and tokens[:, 1:].min() >= 1


def test_stripe_scores_are_those_of_the_cache(model, tokens):
    _, cache = model.run_with_cache(tokens)
    for back in (0, 1, 4, 5, 6):
        scores = induction.stripe_scores(model, tokens, back=back)
        assert scores.shape == (3, 4) and not scores.requires_grad
        for layer in range(3):
            stripe = cache["pattern", layer].diagonal(-back, dim1=-2, dim2=-1)[..., 6 - back :]
            assert torch.allclose(scores[layer], stripe.mean((0, 2)), atol=1e-6)


def test_a_cost_is_that_of_ablating(model, tokens):
    heads = [(0, 1), (2, 3), (0, 2)]
    costs = induction.repeat_costs(model, tokens, [[], ablation_hooks(model, heads)])
    assert costs.shape == (2, 3) and not costs[0].any()
    with torch.no_grad():
        intact = model(tokens, return_type="loss", loss_per_token=True)
        with ablated(model, heads):
            without = model(tokens, return_type="loss", loss_per_token=True)
    assert torch.allclose(costs[1], (without - intact)[:, 6:].mean(1), atol=1e-5)
    assert costs[1].abs().min() > 0


def test_a_control_is_like_the_tested_heads():
    chosen, size = [(4, 1), (4, 3), (5, 0)], {"n_layers": 9, "n_heads": 4}
    draws = {"generator": torch.Generator().manual_seed(0), **size}

    def layers(sets):
        return torch.tensor([[float(layer) for layer, _ in heads] for heads in sets])

    sets, costs = induction.fair_control(layers, chosen, 200, **draws)
    assert len(sets) == 200 and all(len(set(heads)) == 3 for heads in sets)
    assert costs.equal(layers(sets))
    drawn = {head for heads in sets for head in heads}
    assert drawn == {(i, j) for i in range(2, 8) for j in range(4)} - set(chosen)
    assert len(induction.fair_control(layers, [(0, 0)], 5, **draws)[0]) == 5


def test_text_costs_tell_repeats_from_others(model):
    tokens = torch.tensor([[0, 5, 7, 5, 7, 9, 5], [0, 3, 3, 3, 8, 3, 8]])
    hooks = ablation_hooks(model, [(1, 0), (1, 2)])
    costs = induction.text_costs(model, tokens, hooks)
    with torch.no_grad():
        added = model.run_with_hooks(
            tokens, fwd_hooks=hooks, return_type="loss", loss_per_token=True
        ) - model(tokens, return_type="loss", loss_per_token=True)
    repeats = [[3], [2, 5]]  # the pair 5 7; 3 3 and 3 8
    for text, at in enumerate(repeats):
        others = [i for i in range(6) if i not in at]
        assert torch.allclose(costs[text, 0], added[text, at].mean(), atol=1e-6)
        assert torch.allclose(costs[text, 1], added[text, others].mean(), atol=1e-6)
