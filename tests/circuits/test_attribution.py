"""Attribution and ablation on a random model: what must hold for any weights."""

import pytest
import torch

from tests.small_models import random_model
from utils.circuits import attribution
from utils.circuits.residual import residual_parts
from utils.heads import mean_ablate

RIGHT, WRONG = torch.tensor([3, 7, 1, 9, 4]), torch.tensor([5, 2, 8, 0, 6])


def difference(logits: torch.Tensor) -> torch.Tensor:
    return attribution.logit_diff(logits, RIGHT, WRONG)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random Llama with fewer key-value heads than heads."""
    return random_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(1, 40, (5, 6), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def plainly(model, tokens, heads=()) -> torch.Tensor:
    """Logits of a whole run in which heads are mean-ablated at the last position only."""

    def hook_of(head: int):
        def replace(z, hook):
            z = z.clone()
            z[:, -1:] = mean_ablate(z[:, -1:], [head])
            return z

        return replace

    with model.hooks(fwd_hooks=[(f"blocks.{i}.attn.hook_z", hook_of(h)) for i, h in heads]):
        return model(tokens)[:, -1:]


def test_attributions_of_all_parts_sum_to_the_logit_difference(model, tokens):
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens)
    parts = residual_parts(cache, model.cfg.n_layers)[:, :, -1]
    scale = attribution.norm_scale(parts.sum(0), model.cfg.eps)
    weights = model.W_U.detach(), model.ln_final.weight.detach()
    direction = attribution.logit_diff_direction(*weights, RIGHT, WRONG)
    shares = attribution.direct_logit_attribution(parts, direction, scale)
    torch.testing.assert_close(shares.sum(0), difference(logits), atol=1e-4, rtol=1e-4)
    written = attribution.head_outputs(cache["z", 1][:, -1], model.W_O[1].detach())
    torch.testing.assert_close(written.sum(0), parts[3], atol=1e-4, rtol=1e-4)


def test_a_scale_in_half_precision_does_not_overflow():
    resid = torch.tensor([[300.0, 400.0]])
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        scale = attribution.norm_scale(resid.to(dtype), 0.0)
        assert scale.item() == pytest.approx(125000**0.5, rel=0.01)
    assert scale.dtype is torch.float64


def test_joined_runs_are_one_run(model, tokens):
    def run(rows):
        with torch.no_grad():
            logits, cache = model.run_with_cache(rows)
        parts = residual_parts(cache, model.cfg.n_layers)[:, :, -1]
        return {"parts": parts, "first_choice": logits[:, -1].argmax(-1)}

    whole, joined = run(tokens), attribution.join_runs([run(tokens[:2]), run(tokens[2:])])
    assert whole.keys() == joined.keys()
    for name, values in whole.items():
        torch.testing.assert_close(joined[name], values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("heads", [[], [(0, 2)], [(0, 2), (1, 0), (1, 3)]])
def test_the_last_token_alone_gives_what_the_whole_run_gives(model, tokens, heads):
    kept = attribution.keep_before_last(model, tokens)
    right = plainly(model, tokens, heads)
    for _ in range(2):  # the kept keys and values survive a run
        logits, cache = attribution.run_last(model, kept, heads=heads)
        torch.testing.assert_close(logits, right, atol=1e-4, rtol=1e-4)
    assert cache["z", 2].shape[1] == 1
    if heads:
        assert (right - plainly(model, tokens)).abs().max() > 0.1, "an ablation must show"


def test_each_heads_effect_is_that_of_removing_it_alone(model, tokens):
    kept = attribution.keep_before_last(model, tokens)
    found = attribution.effects_of_each_head(model, kept, difference, layers=(1, 2))
    assert found.shape == (2, 4, 5)
    usual = difference(plainly(model, tokens))
    for i, layer in enumerate((1, 2)):
        for head in range(4):
            right = difference(plainly(model, tokens, [(layer, head)])) - usual
            torch.testing.assert_close(found[i, head], right, atol=1e-4, rtol=1e-4)
    assert found.abs().max() > 0.1


def test_one_token_has_nothing_before_it(model):
    with pytest.raises(ValueError, match="one token"):
        attribution.keep_before_last(model, torch.ones(2, 1, dtype=torch.long))


def test_in_the_last_layer_only_the_mlp_and_the_norm_can_react(model, tokens):
    """The account of an ablation: it sums, and no part before the head takes a share."""
    kept = attribution.keep_before_last(model, tokens)
    runs = [attribution.run_last(model, kept, heads=heads) for heads in ([], [(2, 1)])]
    before, after = [residual_parts(c, model.cfg.n_layers)[:, :, -1] for _, c in runs]
    weights = model.W_U.detach(), model.ln_final.weight.detach()
    direction = attribution.logit_diff_direction(*weights, RIGHT, WRONG)
    old, new = [attribution.norm_scale(p.sum(0), model.cfg.eps) for p in (before, after)]
    by_part, norm = attribution.ablation_split(before, after, direction, old, new)
    change = difference(runs[1][0]) - difference(runs[0][0])
    torch.testing.assert_close(by_part.sum(0) + norm, change, atol=1e-4, rtol=1e-4)
    assert by_part[:5].abs().max() < 1e-5 < by_part[5:].abs().min()
    z, W_O = torch.stack([runs[0][1]["z", i][:, -1] for i in range(3)]), model.W_O.detach()
    written = attribution.head_outputs(z[2], W_O[2])[1]
    predicted = attribution.predicted_effect(written, direction, old)
    torch.testing.assert_close(by_part[5], predicted, atol=1e-4, rtol=1e-4)
    of_all = attribution.head_attributions(z.mean(1, keepdim=True) - z, W_O, direction, old)
    assert of_all.shape == (3, 4, 5)
    torch.testing.assert_close(of_all[2, 1], predicted, atol=1e-4, rtol=1e-4)
    shares = attribution.head_attributions(z, W_O, direction, old)
    torch.testing.assert_close(
        shares[2, 1], (written * direction).sum(-1) / old, atol=1e-4, rtol=1e-4
    )
