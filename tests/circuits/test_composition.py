"""Composition, and changes along one path: against the model's own runs, and other ways."""

import contextlib
import io

import pytest
import torch
from transformer_lens import patching as library

from tests.small_models import random_model
from utils.circuits import composition, patching
from utils.heads import ablated
from utils.models import load

TOKENS = torch.randint(1, 40, (3, 9), generator=torch.Generator().manual_seed(0))
OTHERS = torch.randint(1, 40, (3, 9), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """Three layers of four heads, two key-value heads, rotation."""
    return random_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def toy():
    with contextlib.redirect_stdout(io.StringIO()):
        return load("induction/two_layer/step_04000", device="cpu")


def logits(model, hooks=()):
    with torch.no_grad(), model.hooks(fwd_hooks=list(hooks)):
        return model(TOKENS)


def test_the_rank_counts_what_the_diagonal_beats():
    table = torch.tensor([[3.0, 1, 2], [5, 4, 6], [0, 1, 0.5]])
    assert composition.own_token_rank(table) == pytest.approx((1 + 0 + 0.5) / 3)
    assert composition.own_token_rank(torch.eye(7)) == 1


@pytest.mark.parametrize("head", [(0, 1), (1, 3), (2, 0)])
def test_a_removed_head_is_one_that_is_ablated(grouped, head):
    """Added to the stream after its layer's attention, the change is the ablation."""
    change = composition.removal(grouped, TOKENS, head)
    name = f"blocks.{head[0]}.hook_attn_out"
    with ablated(grouped, [head]):
        right = logits(grouped)
    got = logits(grouped, [(name, lambda out, hook: out + change)])
    assert torch.allclose(got, right, atol=1e-4) and not torch.allclose(got, logits(grouped))


@pytest.mark.parametrize("into", ["q", "k", "v"])
def test_a_change_of_nothing_changes_nothing(grouped, toy, into):
    for model, layers in ((grouped, [0, 1, 2]), (toy, [1])):
        nothing = torch.zeros(*TOKENS.shape, model.cfg.d_model)
        hooks = composition.path_hooks(model, TOKENS, nothing, layers=layers, into=into)
        assert torch.allclose(logits(model, hooks), logits(model), atol=1e-5)


@pytest.mark.parametrize("into", ["q", "k", "v"])
def test_a_path_into_every_head_of_a_layer_is_the_sweep_s(grouped, into):
    """The change that another prompt would make, as `path_sweep` has it."""
    sender, reader = (0, 2), 2
    name = f"blocks.{sender[0]}.attn.hook_z"
    with torch.no_grad():
        own, other = (
            grouped.run_with_cache(t, names_filter=name)[1][name][:, :, sender[1]]
            for t in (TOKENS, OTHERS)
        )
        change = (other - own) @ grouped.W_O[sender]
    hooks = composition.path_hooks(grouped, TOKENS, change, layers=[reader], into=into)
    got = logits(grouped, hooks)[:, -1, 5]
    swept = patching.path_sweep(
        grouped,
        TOKENS,
        OTHERS,
        lambda out: out[:, -1, 5],
        receivers=[(reader, head) for head in range(4 if into == "q" else 2)],
        into=into,
        progress=False,
    )
    assert torch.allclose(swept.by_prompt[sender], got, atol=1e-4)
    assert not torch.allclose(got, swept.base_by_prompt, atol=1e-3)
    assert library.get_act_patch_direct_path  # one sender and one receiver at a time


def test_a_change_of_the_same_size_points_elsewhere():
    change = torch.randn(4, 6, 32) * torch.linspace(0, 9, 6)[:, None]
    made = composition.size_matched(change, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(made.norm(dim=-1), change.norm(dim=-1), atol=1e-5)
    assert torch.cosine_similarity(made, change, dim=-1).abs().max() < 0.7


def test_direct_effects_are_what_the_logits_lose_with_the_scale_held(grouped):
    effects = composition.direct_copying(grouped, TOKENS, [2, 1])
    assert effects.shape == (3, 2, 4)
    head = (1, 3)
    with torch.no_grad():
        _, cache = grouped.run_with_cache(TOKENS)
        written = cache["z", 1][:, :, 3] @ grouped.W_O[head]
        final = cache["resid_post", 2]
        scale = cache["ln_final.hook_scale"]
        own, without = (
            (x / scale * grouped.ln_final.weight) @ grouped.W_U for x in (final, final - written)
        )
        lost = own - without
        lost = lost - lost.mean(-1, keepdim=True)
        right = lost[:, 5:8].gather(-1, TOKENS[:, 6:9, None])[..., 0].mean(1)
    assert torch.allclose(effects[:, 1, 3], right, atol=1e-4)


def test_the_toy_s_circuit_is_read_from_its_weights(toy):
    matching, copying = composition.circuit_tables(toy, composition.own_token_rank)
    assert matching[1, 1:].min() > 0.95 and matching[[0, 2, 3]].max() < 0.6
    assert copying[2:].min() > 0.95 > 0.5 > copying[:2].max()
