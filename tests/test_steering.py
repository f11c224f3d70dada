"""Adding to the residual stream, held against a forward pass written out by hand."""

import pytest
import torch

from tests.small_models import random_model
from utils.generation import sample
from utils.steering import at_dose, random_directions, steer, typical_norm

KINDS = ["llama", "gpt2"]


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory):
    return random_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("llama"))


def tokens(rows: int = 2, n: int = 6) -> torch.Tensor:
    return torch.randint(1, 40, (rows, n), generator=torch.Generator().manual_seed(1))


def random_direction(seed: int) -> torch.Tensor:
    return random_directions(1, torch.ones(32), generator=torch.Generator().manual_seed(seed))[0]


def by_hand(model, text: torch.Tensor, added: torch.Tensor, layer: int) -> torch.Tensor:
    """Logits, from the model's own modules one after another. `added` is [batch pos d_model]."""
    inside = model.original_model
    if model.cfg.positional_embedding_type == "standard":
        body = inside.transformer
        resid = body.wte(text) + body.wpe(torch.arange(text.shape[1]))
        blocks, norm, more = body.h, body.ln_f, {}
    else:
        body = inside.model
        resid = body.embed_tokens(text)
        blocks, norm = body.layers, body.norm
        numbers = torch.arange(text.shape[1])[None]
        more = {"position_embeddings": body.rotary_emb(resid, numbers), "position_ids": numbers}
    for i, block in enumerate([*blocks, None]):
        if i == layer:
            resid = resid + added
        if block is not None:
            out = block(resid, **more)
            resid = out[0] if isinstance(out, tuple) else out
    return inside.lm_head(norm(resid))


def has_hooks(model) -> bool:
    inside = model.original_model
    return any(p.fwd_hooks for p in model.hook_dict.values()) or bool(inside._forward_pre_hooks)


# ---- Against a hand-written forward pass --------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 1, 3])
@pytest.mark.parametrize("positions", [None, slice(2, None), slice(1, 4, 2), [0, 5], [4]])
def test_a_vector(model, layer, positions):
    text, vector = tokens(), random_direction(2) * 3
    added = torch.zeros(2, 6, 32)
    added[:, slice(None) if positions is None else positions] = vector
    with torch.no_grad():
        plain = model(text)
        with steer(model, vector, layer=layer, positions=positions):
            steered = model(text)
        right = by_hand(model, text, added, layer)
        torch.testing.assert_close(by_hand(model, text, 0 * added, layer), plain, atol=1e-4, rtol=0)
        torch.testing.assert_close(steered, right, atol=1e-4, rtol=0)
        assert (steered - plain).abs().max() > 0.01
        assert torch.equal(model(text), plain)


def test_a_row_for_each_position_and_for_each_text(llama):
    text, rows = tokens(), torch.randn(3, 32, generator=torch.Generator().manual_seed(3))
    added = torch.zeros(2, 6, 32)
    added[:, [5, 0, 2]] = rows
    with torch.no_grad(), steer(llama, rows, layer=1, positions=[5, 0, 2]):
        steered = llama(text)
    with torch.no_grad():
        torch.testing.assert_close(steered, by_hand(llama, text, added, 1), atol=1e-4, rtol=0)
        with steer(llama, rows[:2, None], layer=1):
            steered = llama(text)
        added = rows[:2, None].expand(2, 6, 32)
        torch.testing.assert_close(steered, by_hand(llama, text, added, 1), atol=1e-4, rtol=0)


def test_a_function_of_the_residual(llama):
    text, seen = tokens(), []

    def double(resid):
        seen.append(resid.shape)
        return resid

    with torch.no_grad():
        _, cache = llama.run_with_cache(text, names_filter="blocks.2.hook_in")
        own = cache["blocks.2.hook_in"]
        with steer(llama, double, layer=2, positions=slice(3, None)):
            steered = llama(text)
        added = own.clone()
        added[:, :3] = 0
        torch.testing.assert_close(steered, by_hand(llama, text, added, 2), atol=1e-4, rtol=0)
    assert seen == [(2, 3, 32)]


def test_a_cache_sees_what_was_added(llama):
    vector = torch.ones(32)
    name = "blocks.1.hook_resid_pre"
    with torch.no_grad():
        _, plain = llama.run_with_cache(tokens(), names_filter=name)
        with steer(llama, vector, layer=1, positions=[2]):
            _, steered = llama.run_with_cache(tokens(), names_filter=name)
    difference = steered[name] - plain[name]
    torch.testing.assert_close(difference[:, 2], torch.ones(2, 32), atol=1e-5, rtol=0)
    assert difference[:, [0, 1, 3, 4, 5]].abs().max() == 0


def test_two_at_once_add_up(llama):
    a, b = torch.randn(2, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        with steer(llama, a, layer=1), steer(llama, b, layer=1):
            both = llama(tokens())
        with steer(llama, a + b, layer=1):
            torch.testing.assert_close(both, llama(tokens()), atol=1e-5, rtol=0)


def test_gradients_reach_the_vector(llama):
    vector = torch.zeros(32, requires_grad=True)
    with steer(llama, vector, layer=1):
        llama(tokens()).square().mean().backward()
    assert vector.grad.abs().max() > 0


# ---- Generation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("positions", [None, slice(6, None), slice(0, 6), [2, 7, 8]])
def test_generation_is_the_same_with_and_without_the_key_value_cache(
    model, layer, positions, monkeypatch
):
    """Each way to write must give what full forward passes by hand give, token for token."""
    # No end token: random models write it at once, and `sample` would leave it out.
    monkeypatch.setattr(model.original_model.generation_config, "eos_token_id", None)
    text = tokens()
    vector = random_direction(5) * 4
    right = text
    with torch.no_grad():
        for _ in range(5):
            added = torch.zeros(2, right.shape[1], 32)
            at = range(right.shape[1])
            inside = list(at)[positions] if isinstance(positions, slice) else positions or at
            added[:, [i for i in inside if i in at]] = vector
            best = by_hand(model, right, added, layer)[:, -1].argmax(-1)
            right = torch.cat([right, best[:, None]], dim=1)
    asked = {"max_new_tokens": 5, "do_sample": False, "stop_at_eos": False, "verbose": False}
    with torch.no_grad(), steer(model, vector, layer=layer, positions=positions):
        cached = model.generate(text, **asked)
        whole = model.generate(text, **asked, use_past_kv_cache=False)
        sampled = sample(model, text, n_tokens=5, temperature=0.0)
    assert torch.equal(cached, right) and torch.equal(whole, right)
    assert torch.equal(sampled, right[:, 6:])


# ---- The hooks always go ------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_go_after_an_error(llama, error):
    with pytest.raises(error), steer(llama, torch.ones(32), layer=1):
        assert has_hooks(llama)
        raise error
    assert not has_hooks(llama)


def test_hooks_go_when_the_function_fails(llama):
    def fails(resid):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), steer(llama, fails, layer=1):
        sample(llama, tokens(), n_tokens=2)
    assert not has_hooks(llama)


def test_other_hooks_stay(llama):
    llama.add_hook("blocks.1.hook_in", lambda resid, hook: resid)
    try:
        with steer(llama, torch.ones(32), layer=1):
            pass
        assert has_hooks(llama)
    finally:
        llama.reset_hooks()


# ---- Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, layer, positions, says",
    [
        (torch.ones(32), 4, None, "layers 0 to 3"),
        (torch.ones(32), -1, None, "layers 0 to 3"),
        (torch.ones(32), 1, [-1], "from the start"),
        (torch.ones(32), 1, slice(-2, None), "from the start"),
        (torch.ones(31), 1, None, "d_model, which is 32"),
        (torch.ones(3, 32), 1, [1, 2], "3 positions"),
        (torch.ones(3, 32), 1, None, "3 positions"),
    ],
)
def test_bad_input_is_one_sentence(llama, change, layer, positions, says):
    with (
        pytest.raises(ValueError, match=says) as error,
        steer(llama, change, layer=layer, positions=positions),
    ):
        pass
    assert "\n" not in str(error.value) and not has_hooks(llama)


# ---- Doses --------------------------------------------------------------------------------------


def test_typical_norm_leaves_the_first_position_out(llama):
    texts = ["w3", "w6", "w7"]
    with torch.no_grad():
        lengths = []
        for text in texts:
            _, cache = llama.run_with_cache(llama.to_tokens(text))
            lengths.append(cache["blocks.2.hook_in"][0, 1:].norm(dim=-1))
    assert typical_norm(llama, texts, layer=2) == pytest.approx(torch.cat(lengths).median().item())
    assert typical_norm(llama, texts, layer=3) > 0
    with pytest.raises(ValueError, match="besides BOS"):
        typical_norm(llama, [], layer=2)


def test_doses_and_random_directions():
    vector = torch.tensor([3.0, 4.0])
    torch.testing.assert_close(at_dose(vector, 2.0, norm=10.0), torch.tensor([12.0, 16.0]))
    first, again, other = (
        random_directions(5, vector, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first.norm(dim=-1), torch.full((5,), 5.0))
    assert torch.equal(first, again) and not torch.equal(first, other)
