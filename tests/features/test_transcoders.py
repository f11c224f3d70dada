"""Transcoders: what they compute, their file, and what goes through an MLP."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.small_models import random_model
from utils.features import transcoders as tc

D, M, OUT, K = 12, 30, 8, 4
BOS = 0  # of the small models
ROWS = [torch.tensor(row) for row in ([3, 1, 4, 1, 5], [9, 2], [6, 5, 3])]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=[False, True], ids=["plain", "skip"])
def transcoder(request):
    made = tc.Transcoder(D, M, OUT, k=K, skip=request.param)
    for i, weight in enumerate(made.parameters()):
        weight.data.copy_(torch.randn(weight.shape, generator=seeded(i)))
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("model"))


def test_it_is_the_formula_latent_by_latent(transcoder):
    x = torch.randn(5, D, generator=seeded(9))
    for row, acts, made in zip(x, transcoder.encode(x), transcoder(x), strict=True):
        pre = row @ transcoder.W_enc + transcoder.b_enc
        best = pre.sort(descending=True).indices[:K]
        right = transcoder.b_dec.clone()
        for latent in best[pre[best] > 0].tolist():
            right += pre[latent] * transcoder.W_dec[latent]
        if transcoder.W_skip is not None:
            right += row @ transcoder.W_skip
        torch.testing.assert_close(made, right, atol=1e-4, rtol=1e-4)
        assert int((acts > 0).sum()) == int((pre[best] > 0).sum())


def test_a_file_gives_the_transcoder_back(transcoder, tmp_path):
    tc.save_transcoder(transcoder, tmp_path, model="a toy")
    back, x = tc.load_transcoder(tmp_path), torch.randn(50, D, generator=seeded(9))
    assert back.k == K and (back.W_skip is None) == (transcoder.W_skip is None)
    for name, weight in transcoder.state_dict().items():
        error = (back.state_dict()[name] - weight).abs().max()
        assert error <= weight.abs().max() / 127, name
    wrong = (back(x) - transcoder(x)).square().sum(1) / transcoder(x).square().sum(1)
    assert wrong.median() < 1e-3  # near a tie another latent may be the k-th


def test_a_damaged_or_missing_file_is_named(transcoder, tmp_path):
    with pytest.raises(FileNotFoundError, match="give a folder of data/transcoders"):
        tc.load_transcoder(tmp_path)
    tc.save_transcoder(transcoder, tmp_path)
    weights = load_file(tmp_path / tc.FILE)
    del weights["b_enc"]
    save_file(weights, tmp_path / tc.FILE, metadata={"about": json.dumps({"k": K})})
    with pytest.raises(ValueError, match="copy or make it again"):
        tc.load_transcoder(tmp_path)
    (tmp_path / tc.FILE).write_bytes(b"half")
    with pytest.raises(ValueError, match="copy or make it again"):
        tc.load_transcoder(tmp_path)


def test_nothing_is_written_where_a_weight_is_nan(transcoder, tmp_path):
    transcoder.W_dec[0, 0] = float("nan")
    with pytest.raises(ValueError, match="nothing was written"):
        tc.save_transcoder(transcoder, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("batch_tokens", [4, 4096])
def test_what_went_through_an_mlp_is_what_a_cache_says(model, layer, batch_tokens):
    passed, at = tc.harvest_mlp(model, ROWS, layer=layer, batch_tokens=batch_tokens), 0
    for row in ROWS:
        _, cache = model.run_with_cache(torch.cat([torch.tensor([BOS]), row])[None])
        for found, name in ((passed.x, "mlp.hook_in"), (passed.y, "hook_mlp_out")):
            right = cache[f"blocks.{layer}.{name}"][0, 1:]
            torch.testing.assert_close(found[at : at + len(row)], right, atol=1e-4, rtol=1e-4)
        at += len(row)
    assert at == len(passed.x) == len(passed.y)


def test_the_mlp_in_its_own_place_costs_nothing_and_another_something(model):
    stand_ins = {"itself": lambda x, y: y, "zero": lambda x, y: 0 * y, "read": lambda x, y: 3 * x}
    losses = tc.losses_with_mlp(model, ROWS, stand_ins, layer=1)
    assert losses["clean"].shape == (3,)
    torch.testing.assert_close(losses["itself"], losses["clean"])
    assert all((losses[name] != losses["clean"]).all() for name in ("zero", "read"))
    row = torch.cat([torch.tensor([BOS]), ROWS[0]])[None]
    plain = torch.nn.functional.cross_entropy(model(row)[0, :-1], row[0, 1:])
    torch.testing.assert_close(losses["clean"][0], plain, atol=1e-4, rtol=1e-4)


def test_random_latents_write_the_best_that_they_can():
    x, weights = torch.randn(400, D, generator=seeded(1)), torch.randn(D, OUT, generator=seeded(2))
    y = (x @ weights).relu() + 3
    made = tc.random_transcoder(x, y, M, k=K)
    assert torch.equal(made.W_enc, tc.Transcoder(D, M, OUT, k=K).W_enc)

    def ridge(each):
        return (each(x) - y).square().sum() + each.W_dec.square().sum()

    assert (made(x) - y).square().sum() < (y - y.mean(0)).square().sum()
    for i in range(5):
        moved = tc.random_transcoder(x, y, M, k=K)
        moved.W_dec += 0.05 * torch.randn(M, OUT, generator=seeded(i))
        assert ridge(moved) > ridge(made)
