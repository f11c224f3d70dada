"""First looks into a model: against TransformerLens's own methods, on a small random model."""

import contextlib
import io

import pytest
import torch
from transformer_lens.tools.analysis import logit_lens as library_lens

from tests.small_models import random_model
from utils.circuits import residual

TOKENS = torch.tensor([[0, 2, 3, 3, 1], [0, 4, 5, 5, 7]])
OTHER = torch.tensor([[0, 8, 9, 3, 1], [0, 6, 2, 5, 7]])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with contextlib.redirect_stdout(io.StringIO()):
        return random_model("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def leaves_no_hooks(model):
    before = model(TOKENS)
    yield
    torch.testing.assert_close(model(TOKENS), before)


def test_zero_ablation_takes_the_component_out_of_the_sum(model):
    """At the last layer nothing reads it, so the stream lacks its vector and no more."""
    _, cache = model.run_with_cache(TOKENS)
    left = cache["blocks.2.hook_resid_post"] - cache["blocks.2.hook_mlp_out"]
    ablated = residual.zero_ablated(model, TOKENS, "blocks.2.hook_mlp_out")
    torch.testing.assert_close(ablated, model.ln_final(left) @ model.W_U)
    assert not ablated.requires_grad


def test_the_sweep_s_damage_is_each_prompt_s_own(model):
    answers = torch.tensor([7, 11])
    both = residual.ablation_sweep(model, TOKENS, answers, residual.zero_ablated)
    assert both.shape == (2, 3, 2) and both.abs().min() > 0
    for i in range(2):
        one = residual.ablation_sweep(
            model, TOKENS[i : i + 1], answers[i : i + 1], residual.zero_ablated
        )
        torch.testing.assert_close(one[..., 0], both[..., i], atol=1e-4, rtol=1e-4)


def test_direct_effects_at_the_last_layer_are_what_zero_ablation_costs(model):
    """What reads the last MLP's output is the norm alone."""
    answers = torch.tensor([7, 11])
    damage = residual.ablation_sweep(model, TOKENS, answers, residual.zero_ablated)
    _, cache = model.run_with_cache(TOKENS)
    parts = residual.residual_parts(cache, 3)
    for i, answer in enumerate(answers.tolist()):
        effects = residual.direct_effects(model, parts[:, i, -1], answer)
        assert effects.shape == (7,) and not effects.requires_grad
        torch.testing.assert_close(effects[-1], damage[1, 2, i], atol=1e-4, rtol=1e-4)
        assert (effects[1:5] - damage[:, :2, i].T.flatten()).abs().min() > 1e-3


def test_all_positions_put_back_one_by_one_at_layer_0_are_the_source_s_tokens(model):
    """Before block 0 a vector is its token's embedding."""
    for position in range(5):
        mixed = TOKENS.clone()
        mixed[:, position] = OTHER[:, position]
        patched = residual.put_back(model, TOKENS, OTHER, 0, position)
        torch.testing.assert_close(patched, model(mixed), atol=1e-4, rtol=1e-4)


def test_a_vector_from_the_same_run_changes_nothing(model):
    torch.testing.assert_close(residual.put_back(model, TOKENS, TOKENS, 1, 2), model(TOKENS))


def test_the_lens_ends_in_the_model_s_own_logits_and_agrees_with_the_library_s(model):
    lens = residual.logit_lens(model, TOKENS)
    torch.testing.assert_close(lens[-1], model(TOKENS)[:, -1], atol=1e-4, rtol=1e-4)
    prompt = "w3 w5 w9"
    tokens = model.to_tokens(prompt)
    theirs = library_lens(model, prompt, targets="w7", positions=-1).rank_trajectory("w7").flatten()
    logits = residual.logit_lens(model, tokens)[:, 0]
    target = model.to_single_token("w7")
    ranks = (logits > logits[:, target, None]).sum(-1)
    assert theirs.tolist()[1:] == ranks.tolist(), "the library's first entry is the embedding"
