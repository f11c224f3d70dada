"""SAEs: gradients by hand, the trainer, streaming, and the SAELens format."""

import json
import subprocess
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.environments import fresh_environment
from tests.small_models import random_model
from utils.features import sae as saes
from utils.features.planted import fit
from utils.reading.linear import r_squared

SAE_LENS = "sae-lens==6.54.12"
D, M, K = 12, 30, 4
KINDS = {
    "relu": partial(saes.ReLUSAE, l1=0.02),
    "topk": partial(saes.TopKSAE, k=K),
    "jumprelu": partial(saes.JumpReLUSAE, l0=0.005),
}


BOS = 0  # of the small models


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def planted(step: int, n: int = 128) -> torch.Tensor:
    """Sparse sums of 20 directions, [n, D]."""
    directions = torch.randn(20, D, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(step)
    active = torch.rand(n, 20, generator=generator) < 0.1
    return (active * torch.rand(n, 20, generator=generator)) @ directions


def shaken(kind: str) -> saes.SAE:
    """An SAE none of whose weights is at its first value."""
    sae = KINDS[kind](D, M, generator=seeded(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return sae


def test_topk_keeps_the_k_largest_above_zero():
    sae = shaken("topk")
    x = planted(0)
    pre, acts = sae.pre_acts(x), sae.encode(x)
    kept = pre >= pre.sort(dim=1, descending=True).values[:, K - 1 : K]
    assert torch.equal(acts, torch.where(kept, pre, 0).relu())


def test_dead_latents_learn_from_the_error_alone():
    sae, x = shaken("topk"), planted(0)
    dead = torch.arange(M) >= M - 5
    with torch.no_grad():
        sae.b_enc[dead] = -5  # so that they are never among the k
        sae.W_enc[:, dead] *= 0.01
        sae.b_enc[dead] += 5.1
        sae.b_enc[~dead] += 10
    sae.loss(x)[0].backward()
    assert not sae.W_dec.grad[dead].any()
    sae.zero_grad()
    sae.loss(x, dead=dead)[0].backward()
    assert sae.W_dec.grad[dead].any()


def test_the_step_has_a_slope_for_the_threshold_alone_and_near_it_alone():
    pre = torch.tensor([[0.1], [0.49], [0.52], [2.0]], requires_grad=True)
    threshold = torch.tensor([0.5], requires_grad=True)
    active = saes.step(pre, threshold, bandwidth=0.1)
    assert active.flatten().tolist() == [0, 0, 1, 1]
    active.sum().backward()
    assert pre.grad is None
    assert threshold.grad.item() == pytest.approx(-2 / 0.1)


def test_batchtopk_keeps_k_on_average_and_a_cutoff_outside_training():
    sae, x = saes.BatchTopKSAE(D, M, k=K, generator=seeded(1)), planted(0)
    acts = sae.encode(x)
    pre = sae.pre_acts(x)
    assert (acts > 0).sum() == K * len(x)
    assert acts[acts > 0].min() >= pre[acts == 0].max()
    assert (acts > 0).sum(1).unique().numel() > 1  # and not k for each vector
    fit(sae, planted, steps=300, lr=3e-3)
    quality = saes.quality(sae.eval(), planted(9_999, 2000))
    assert abs(quality.l0 - K) < 0.5 and quality.explained > 0.8
    one = planted(9_998, 50)
    torch.testing.assert_close(sae.encode(one)[:7], sae.encode(one[:7]))
    doubled = sae(one) * 2
    sae.rescale(2.0)
    torch.testing.assert_close(sae(2 * one), doubled)


def test_quality_counts():
    sae = shaken("topk")
    x = planted(0, 300)
    acts = sae.encode(x)
    found = saes.quality(sae, x, batch_size=70)
    assert found.l0 == pytest.approx((acts > 0).sum(1).float().mean().item(), rel=1e-5)
    assert found.dead == pytest.approx((~(acts > 0).any(0)).float().mean().item())
    left = (sae.decode(acts) - x).square().sum() / (x - x.mean(0)).square().sum()
    assert found.explained == pytest.approx(1 - left.item(), abs=1e-5)


# ---- Activations --------------------------------------------------------------------------------

ROWS = [torch.arange(n) * 7 + i + 3 for i, n in enumerate((5, 9, 2, 14, 7, 7, 11, 3))]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("llama"))


def test_harvested_vectors_are_those_that_the_block_reads(llama):
    rows = [row % llama.cfg.d_vocab for row in ROWS]
    found = saes.harvest(llama, rows, layer=2, batch_tokens=20)
    expected = []
    for row in rows:
        tokens = torch.cat([torch.tensor([BOS]), row])[None]
        _, cache = llama.run_with_cache(tokens, names_filter="blocks.2.hook_resid_pre")
        expected.append(cache["blocks.2.hook_resid_pre"][0, 1:])
    torch.testing.assert_close(found, torch.cat(expected).detach(), rtol=1e-4, atol=1e-5)
    assert llama.cfg.n_layers == len(llama.blocks)  # the model itself is whole


def test_losses_with_stand_ins(llama):
    rows = [row % llama.cfg.d_vocab for row in ROWS]
    stand_ins = {"same": lambda x: x, "zero": torch.zeros_like}
    found = saes.losses_with(llama, rows, stand_ins, layer=2)
    assert list(found) == ["clean", "same", "zero"]
    torch.testing.assert_close(found["same"], found["clean"], rtol=1e-5, atol=1e-6)
    row = torch.cat([torch.tensor([BOS]), rows[3]])[None]
    alone = torch.nn.functional.cross_entropy(llama(row)[0, :-1], row[0, 1:])
    torch.testing.assert_close(found["clean"][3], alone.detach(), rtol=1e-4, atol=1e-5)

    def zeros_behind_bos(resid, hook):
        return torch.cat([resid[:, :1], torch.zeros_like(resid[:, 1:])], dim=1)

    with llama.hooks(fwd_hooks=[("blocks.2.hook_resid_pre", zeros_behind_bos)]):
        without = torch.nn.functional.cross_entropy(llama(row)[0, :-1], row[0, 1:])
    torch.testing.assert_close(found["zero"][3], without.detach(), rtol=1e-4, atol=1e-5)
    clean, zero = found["clean"], found["zero"]
    assert saes.loss_recovered(clean, clean=clean, ablated=zero) == pytest.approx(1)
    assert saes.loss_recovered(zero, clean=clean, ablated=zero) == pytest.approx(0)


def test_what_an_sae_is_held_against():
    x = planted(0, 500)
    centred = x - x.mean(0)
    singular = torch.linalg.svdvals(centred)
    left = (saes.pca(x, 5)(x) - x).square().sum()
    torch.testing.assert_close(left, singular[5:].square().sum(), rtol=1e-3, atol=1e-4)
    share = (left / centred.square().sum()).item()
    assert r_squared(saes.pca(x, 5)(x), x) == pytest.approx(1 - share)
    errors = [(saes.random_dictionary(x, 40, k=k)(x) - x).square().sum().item() for k in (1, 3, 12)]
    assert centred.square().sum() > errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-4 * centred.square().sum()  # 12 directions span all of 12 dimensions
    own = saes.random_dictionary(x, len(x), k=1, of_vectors=True)
    torch.testing.assert_close(own(x), x, rtol=1e-3, atol=1e-3)  # each vector is one of them


# ---- The format ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_comes_back(kind, tmp_path):
    sae, x = shaken(kind), planted(0)
    saes.save_sae(sae, tmp_path, model_name="m", hook_name="blocks.1.hook_resid_pre")
    back = saes.load_sae(tmp_path)
    assert type(back) is type(sae)
    torch.testing.assert_close(back.encode(x), sae.encode(x))
    torch.testing.assert_close(back(x), sae(x))
    assert json.loads((tmp_path / "cfg.json").read_text())["metadata"]["model_name"] == "m"
    saes.save_sae(sae, tmp_path, dtype=torch.float16)
    torch.testing.assert_close(saes.load_sae(tmp_path)(x), sae(x), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_rescaling_commutes_with_the_input(kind):
    sae, x = shaken(kind), planted(0)
    small = sae(x)
    sae.rescale(5.0)
    torch.testing.assert_close(sae(5.0 * x), 5.0 * small, rtol=1e-4, atol=1e-5)


def test_decoder_norms_and_uncentred_inputs_are_folded(tmp_path):
    sae, x = shaken("topk"), planted(0)
    with torch.no_grad():
        sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
    norm = torch.rand(M) + 0.5
    weights = {
        "W_enc": sae.W_enc.detach() / norm,
        "b_enc": (sae.b_enc - sae.b_dec @ sae.W_enc).detach() / norm,
        "W_dec": sae.W_dec.detach() * norm[:, None],
        "b_dec": sae.b_dec.detach(),
    }
    saes.save_sae(sae, tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    config |= {"rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False}
    del config["metadata"]["crc32"]
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "sae_weights.safetensors")
    back = saes.load_sae(tmp_path)
    torch.testing.assert_close(back.encode(x), sae.encode(x), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(back(x), sae(x), rtol=1e-3, atol=1e-4)


def test_a_damaged_sae_is_said(tmp_path):
    saes.save_sae(shaken("topk"), tmp_path, model_name="m")
    weights, config = tmp_path / "sae_weights.safetensors", tmp_path / "cfg.json"
    whole, said = weights.read_bytes(), config.read_text()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    for damaged in (bytes(flipped), whole[:-10], b""):
        weights.write_bytes(damaged)
        with pytest.raises(ValueError, match="not those that were written"):
            saes.load_sae(tmp_path)
    without = json.loads(said)
    del without["metadata"]["crc32"]  # as other programs write it
    config.write_text(json.dumps(without))
    for damaged in (whole[:-10], b""):
        weights.write_bytes(damaged)
        with pytest.raises(ValueError, match="do not fit"):
            saes.load_sae(tmp_path)
    weights.write_bytes(whole)
    saes.load_sae(tmp_path)
    for damaged in (said[:40], "", "[]", json.dumps({"architecture": "topk"})):
        config.write_text(damaged)
        with pytest.raises(ValueError, match=r"cfg.json cannot be read .*: copy or make it again"):
            saes.load_sae(tmp_path)
    for other in ({"d_sae": 29}, {"architecture": "standard", "d_in": 11}, {"k": 31}):
        config.write_text(json.dumps(json.loads(said) | other))
        with pytest.raises(ValueError, match="do not fit|there are 30 latents"):
            saes.load_sae(tmp_path)
    config.write_text(said)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="No sae_weights"):
        saes.load_sae(tmp_path)


def test_the_shipped_ones_know_their_checksum():
    for folder in (Path(__file__).parents[2] / "data" / "sae").glob("*/cfg.json"):
        assert "crc32" in json.loads(folder.read_text())["metadata"]
        saes.load_sae(folder.parent)


def test_a_diverged_sae_does_not_replace_a_good_one(tmp_path):
    good, bad = shaken("topk"), shaken("topk")
    saes.save_sae(good, tmp_path, dtype=torch.float16)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for value in (float("nan"), 1e5):  # the second overflows in half precision
        bad.b_dec.data[0] = value
        with pytest.raises(ValueError, match="nothing was written"):
            saes.save_sae(bad, tmp_path, dtype=torch.float16)
    with pytest.raises(TypeError):
        saes.save_sae(good, tmp_path, note=object())
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_half_precision_does_not_overflow():
    x = planted(0, 300) * 3000
    assert x.square().max() > 65504
    sae = shaken("topk")
    sae.rescale(3000.0)
    exact, half = saes.quality(sae, x), saes.quality(sae, x.half())
    assert half.explained == pytest.approx(exact.explained, abs=0.01)
    sinks = torch.cat([x, 20 * x[:3].sign() * 3000])
    assert len(saes.without_sinks(sinks.half())) == len(saes.without_sinks(sinks)) < len(sinks)


def test_what_can_not_be_read_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="cfg.json"):
        saes.load_sae(tmp_path)
    saes.save_sae(shaken("relu"), tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"architecture": "gated"}))
    with pytest.raises(ValueError, match="gated"):
        saes.load_sae(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"normalize_activations": "layer_norm"}))
    with pytest.raises(ValueError, match="layer_norm"):
        saes.load_sae(tmp_path)


THERE = """
import json, sys
import torch
from pathlib import Path
from safetensors.torch import load_file, save_file
from sae_lens import SAE
from sae_lens.saes import (
    JumpReLUSAE, JumpReLUSAEConfig, StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
)

folder = Path(sys.argv[1])
x = load_file(folder / "x.safetensors")["x"]
out = {}
for each in sorted((folder / "ours").iterdir()):  # ours, opened there
    sae = SAE.load_from_disk(each)
    out[each.name] = sae.encode(x).detach().to_dense()
save_file(out, folder / "encoded.safetensors")
torch.manual_seed(0)
for name, kind, config in (
    ("relu", StandardSAE, StandardSAEConfig(d_in=12, d_sae=30)),
    ("topk", TopKSAE, TopKSAEConfig(d_in=12, d_sae=30, k=4, rescale_acts_by_decoder_norm=True)),
    ("jumprelu", JumpReLUSAE, JumpReLUSAEConfig(d_in=12, d_sae=30, apply_b_dec_to_input=False)),
):
    sae = kind(config)
    for parameter in sae.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape).abs()
    sae.save_model(folder / "theirs" / name)
    recon = sae(x).detach()
    save_file({"acts": sae.encode(x).detach().to_dense(), "recon": recon},
              folder / "theirs" / name / "there.safetensors")
"""


@pytest.fixture(scope="module")
def sae_lens_python(tmp_path_factory) -> Path:
    """The interpreter of an environment that has SAELens: it needs TransformerLens below 4."""
    folder = tmp_path_factory.mktemp("sae_lens")
    return fresh_environment(folder, [SAE_LENS], linked=["torch", "transformers", "scikit-learn"])


def test_saelens_opens_ours_and_we_open_its(tmp_path, sae_lens_python):
    x = planted(0, 50)
    save_file({"x": x}, tmp_path / "x.safetensors")
    for kind in KINDS:
        saes.save_sae(shaken(kind), tmp_path / "ours" / kind, model_name="m")
    done = subprocess.run(
        [sae_lens_python, "-c", THERE, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    there = load_file(tmp_path / "encoded.safetensors")
    for kind in KINDS:
        torch.testing.assert_close(there[kind], shaken(kind).encode(x).detach(), rtol=0, atol=1e-4)
        theirs = tmp_path / "theirs" / kind
        opened, said = saes.load_sae(theirs), load_file(theirs / "there.safetensors")
        torch.testing.assert_close(opened(x).detach(), said["recon"], rtol=0, atol=1e-4)
        if kind != "topk":  # there an activation is in units of its direction's length
            torch.testing.assert_close(opened.encode(x).detach(), said["acts"], rtol=0, atol=1e-4)
