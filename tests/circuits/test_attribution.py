"""Attribution and ablation on a random model: what must hold for any weights."""

import pytest
import torch

from tests.small_models import random_model
from utils.circuits import attribution
from utils.circuits.residual import residual_parts
from utils.stats import bootstrap

RIGHT, WRONG = torch.tensor([3, 7, 1, 9, 4]), torch.tensor([5, 2, 8, 0, 6])


def difference(logits: torch.Tensor) -> torch.Tensor:
    rows = torch.arange(len(RIGHT))
    return logits[rows, -1, RIGHT] - logits[rows, -1, WRONG]


def direction(model) -> torch.Tensor:
    return (model.W_U[:, RIGHT] - model.W_U[:, WRONG]).T.detach()


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
            z[:, -1:, head] = z[:, -1:, head].mean((0, 1))
            return z

        return replace

    with model.hooks(fwd_hooks=[(f"blocks.{i}.attn.hook_z", hook_of(h)) for i, h in heads]):
        return model(tokens)[:, -1:]


@torch.no_grad()
def test_attributions_of_all_components_sum_to_the_logit_difference(model, tokens):
    logits, cache = model.run_with_cache(tokens)
    heads = attribution.attribute_heads(cache, model, direction(model))
    assert heads.shape == (3, 4, 5)
    parts = residual_parts(cache, model.cfg.n_layers)[:, :, -1]
    scale = (parts.sum(0).pow(2).mean(-1) + model.cfg.eps).sqrt()
    torch.testing.assert_close(attribution.final_scale(cache, model), scale)
    shares = (parts * direction(model) * model.ln_final.weight).sum(-1) / scale
    whole = heads.sum((0, 1)) + shares[0] + shares[2::2].sum(0)
    torch.testing.assert_close(whole, difference(logits), atol=1e-4, rtol=1e-4)


def test_a_name_rises_against_the_names_that_are_not_in_its_prompt():
    W_U = torch.randn(6, 9, generator=torch.Generator().manual_seed(2))
    io, s, names = torch.tensor([1, 4]), torch.tensor([4, 2]), torch.tensor([4, 1, 8, 2])
    to_io, to_s = attribution.name_directions(W_U, io, s, names)
    torch.testing.assert_close(to_io - to_s, (W_U[:, io] - W_U[:, s]).T)
    torch.testing.assert_close(to_io[0], W_U[:, 1] - (W_U[:, 8] + W_U[:, 2]) / 2)


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


def test_a_control_is_the_mean_of_the_other_heads_that_nobody_suspects():
    changes = torch.randn(3, 4, 30, generator=torch.Generator().manual_seed(3))

    def change_without(head):
        return changes[head]

    found = attribution.beyond_controls(change_without, (1, 2), [(1, 2), (1, 0), (0, 1)], 4)
    right = changes[1, 2] - (changes[1, 1] + changes[1, 3]) / 2
    assert found[0] == pytest.approx(right.mean().item(), abs=1e-6)
    assert found[1:] == pytest.approx(tuple(bootstrap(right)), abs=1e-6)
    alike = attribution.beyond_controls(lambda head: changes[0, 0], (1, 2), [], 4)
    assert alike == pytest.approx((0, 0, 0), abs=1e-6), "what all heads do alike is taken off"


@torch.no_grad()
@pytest.mark.parametrize("head", [(0, 2), (1, 0), (2, 1)])
def test_a_waterfall_sums_to_the_effect_of_an_ablation(model, tokens, head):
    kept = attribution.keep_before_last(model, tokens)
    (was, before), (now, after) = (
        attribution.run_last(model, kept, heads=heads) for heads in ([], [head])
    )
    steps = attribution.waterfall(before, after, model, direction(model), head[0])
    change = difference(now) - difference(was)
    torch.testing.assert_close(sum(steps.values()), change, atol=1e-4, rtol=1e-4)
    own = attribution.attribute_heads(before, model, direction(model))[head]
    assert (steps["direct"] + own).std() < 2 * own.std(), "its mean is what it gives on all prompts"
    if head[0] == 2:
        assert not steps["later attention"].any() and steps["later MLPs"].abs().min() > 1e-5


@torch.no_grad()
def test_a_head_s_weights_do_what_a_head_does_that_looks_at_one_name(model):
    names = torch.tensor([3, 8, 5])
    _, cache = model.run_with_cache(names[:, None])  # each by itself: all attention is on it
    found = attribution.ov_on_names(model, (0, 3), cache["hook_embed"][:, 0], names)
    written = cache["z", 0][:, 0, 3] @ model.W_O[0, 3] * model.ln_final.weight
    right = written @ model.W_U[:, names]
    right = right - right.mean(1, keepdim=True)
    torch.testing.assert_close(found, right, atol=1e-4, rtol=1e-4)
