"""Sampling."""

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from tests.small_models import random_model
from utils import generation
from utils.generation import sample
from utils.steering import steer


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("llama"))


PROMPT = torch.tensor([[0, 5, 9]])


def test_samples_follow_the_models_probabilities(llama):
    rows = PROMPT.expand(4000, -1)
    with torch.no_grad():
        wanted = (llama(PROMPT)[0, -1] / 0.7).softmax(-1)
    drawn = sample(
        llama,
        rows,
        n_tokens=1,
        temperature=0.7,
        generator=torch.Generator().manual_seed(3),
        stop_at_eos=True,
    )[:, 0]
    found = torch.bincount(drawn, minlength=len(wanted)) / 4000
    assert (found - wanted).abs().max() < 4 * (wanted * (1 - wanted) / 4000).sqrt().max() + 1e-3
    assert len(drawn.unique()) > 5


def test_a_seed_decides_and_rows_differ(llama):
    rows = PROMPT.expand(3, -1)
    a, b, c = (
        sample(llama, rows, n_tokens=8, generator=torch.Generator().manual_seed(s))
        for s in (0, 0, 1)
    )
    assert torch.equal(a, b) and not torch.equal(a, c) and not torch.equal(a[0], a[1])
    assert a.shape == (3, 8)


def test_steered_and_unsteered_share_their_random_numbers(llama):
    rows = PROMPT.expand(3, -1)
    with steer(llama, torch.zeros(32), layer=1):
        assert torch.equal(sample(llama, rows, n_tokens=6), sample(llama, rows, n_tokens=6))
        nothing_added = sample(llama, rows, n_tokens=6)
    assert torch.equal(nothing_added, sample(llama, rows, n_tokens=6))


def test_any_other_hook_works_too(llama):
    """Those that cannot be moved to the bare model keep the bridge in use."""
    moved = []

    def zero(z, hook):
        moved.append(1)
        return 0 * z

    with llama.hooks(fwd_hooks=[("blocks.1.attn.hook_z", zero)]):
        ablated = sample(llama, PROMPT, n_tokens=6, temperature=0.0)
        by_library = llama.generate(
            PROMPT, max_new_tokens=6, do_sample=False, stop_at_eos=False, verbose=False
        )
    assert moved and torch.equal(ablated, by_library[:, 3:])


def test_the_bare_model_shares_the_weights(llama):
    plain = generation.bare_model(llama)
    theirs = {p.data_ptr() for p in llama.original_model.parameters()}
    assert {p.data_ptr() for p in plain.parameters()} <= theirs
    with torch.no_grad():
        torch.testing.assert_close(plain(PROMPT).logits, llama(PROMPT), atol=1e-4, rtol=0)


def test_a_native_model_is_refused_in_one_sentence():
    toy = TransformerBridge.boot_native(
        {"n_layers": 1, "d_model": 8, "n_heads": 1, "d_head": 8, "n_ctx": 8, "d_vocab": 5}
    )
    with pytest.raises(ValueError, match=r"model\.generate"):
        sample(toy, PROMPT)
