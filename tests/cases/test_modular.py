"""utils.cases.modular and data/grokking: cases that can be worked out, and what is shipped."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from data.grokking import make
from utils.cases import modular

FOLDER = Path(__file__).resolve().parents[2] / "data" / "grokking"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wave(p: int, k: int) -> torch.Tensor:
    return torch.cos(2 * math.pi * k * torch.arange(p) / p)


# ---- The network --------------------------------------------------------------------------------


def test_pairs_are_split_without_loss():
    train, held_out = modular.split_pairs(7, 0.4, generator=seeded())
    assert len(train) == 19 and len(held_out) == 30
    both = {tuple(pair) for pair in torch.cat([train, held_out]).tolist()}
    assert both == {tuple(pair) for pair in modular.all_pairs(7).tolist()}


def test_with_the_switch_at_0_both_numbers_have_weight_1():
    model = modular.Adder(7, attention=0.0, d_model=8, d_mlp=16, generator=seeded())
    x = model.embed(modular.all_pairs(7)) + model.W_pos
    mid = x[:, 1] + x.sum(1) @ model.W_V @ model.W_O
    logits = (mid + (mid @ model.W_in + model.b_in).relu() @ model.W_out + model.b_out) @ model.W_U
    assert torch.allclose(model(modular.all_pairs(7)), logits, atol=1e-5)


def test_attention_is_that_of_torch():
    model = modular.Adder(5, d_model=8, n_heads=2, d_mlp=16, generator=seeded())
    x = model.embed(modular.all_pairs(5)) + model.W_pos
    q, k, v = (
        (x @ w).reshape(-1, 2, 2, 4).transpose(1, 2) for w in (model.W_Q, model.W_K, model.W_V)
    )
    z = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    mid = (x + z @ model.W_O)[:, 1]
    logits = (mid + (mid @ model.W_in + model.b_in).relu() @ model.W_out + model.b_out) @ model.W_U
    assert torch.allclose(model(modular.all_pairs(5)), logits, atol=1e-5)


def test_a_network_comes_back_from_its_file(tmp_path):
    model = modular.Adder(7, attention=0.3, d_model=8, d_mlp=16, generator=seeded())
    modular.save_adder(model, tmp_path / "new" / "one.safetensors")
    back = modular.load_adder(tmp_path / "new" / "one.safetensors")
    assert back.attention == 0.3 and back.p == 7
    assert torch.allclose(back.W_E, model.W_E, atol=1e-3) and back.W_E.dtype == torch.float32
    with pytest.raises(ValueError, match="fetch it again"):
        modular.load_adder(tmp_path / "none.safetensors")


def test_a_table_has_each_pair_at_its_place():
    model = modular.Adder(5, d_model=8, d_mlp=16, generator=seeded())
    table = modular.logit_table(model)
    assert torch.allclose(table[3, 1], model(torch.tensor([[3, 1]]))[0], atol=1e-5)
    first = model.W_E.detach().roll(1, 0)
    moved = modular.table_from(model, first, model.W_E.detach())
    assert torch.allclose(moved[3, 1], table[2, 1], atol=1e-5)


def test_a_copy_is_trained_and_learns():
    train, held_out = modular.split_pairs(5, 0.8, generator=seeded())
    model = modular.Adder(5, d_model=16, d_mlp=32, generator=seeded())
    before = model.W_E.detach().clone()
    how = {"steps": 60, "lr": 5e-3, "weight_decay": 0.1, "every": 30}
    trained, log = modular.train_adder(model, train, held_out, **how)
    assert torch.equal(model.W_E, before) and not torch.equal(trained.W_E, before)
    assert log["step"] == [0, 30, 60] and log["train_loss"][-1] < log["train_loss"][0]


# ---- Waves --------------------------------------------------------------------------------------


def test_a_wave_has_all_of_the_power_and_can_be_taken_out():
    vectors = wave(11, 3)[:, None] * torch.tensor([1.0, -2.0]) + 4
    power = modular.fourier_power(vectors)
    assert power[2] == pytest.approx(1, abs=1e-5) and len(power) == 5
    assert torch.allclose(modular.without_waves(vectors, [3]), torch.full((11, 2), 4.0), atol=1e-4)
    assert torch.allclose(modular.without_waves(vectors, [2, 5]), vectors, atol=1e-4)


def test_waves_of_the_sum_are_found_and_others_are_not():
    p = 11
    a, b = torch.arange(p)[:, None], torch.arange(p)
    of_sum = torch.cos(2 * math.pi * 2 * (a + b) / p)[..., None] * torch.ones(p)
    of_distance = torch.cos(2 * math.pi * 2 * (a - b) / p)[..., None] * torch.ones(p)
    everywhere = torch.ones(p, p).bool()
    found = modular.sum_waves(of_sum + of_distance + 3, [2], at=everywhere)
    assert torch.allclose(found, of_sum, atol=1e-4)
    some = torch.rand(p, p, generator=seeded()) < 0.5
    assert torch.allclose(modular.sum_waves(of_sum + 3, [2], at=some), of_sum, atol=1e-4)


# ---- Two ways to add ----------------------------------------------------------------------------


class Drawn(torch.nn.Module):
    """Logits from the numbers' circle: by multiplying the waves, or by the length of their sum."""

    def __init__(self, p: int, k: int, kind: str):
        super().__init__()
        turn = 2 * math.pi * k * torch.arange(p) / p
        self.p, self.kind = p, kind
        self.W_E = torch.nn.Parameter(torch.stack([turn.cos(), turn.sin()], dim=1))

    def embed(self, pairs):
        return self.W_E[pairs]

    def from_embeddings(self, x):
        (ca, sa), (cb, sb) = x[:, 0].T, x[:, 1].T
        if self.kind == "clock":
            both = torch.stack([ca * cb - sa * sb, sa * cb + ca * sb], dim=1)
        else:
            c, s = ca + cb, sa + sb
            size = (c**2 + s**2 + 1e-6).sqrt()
            both = torch.stack([(c * c - s * s) / size, 2 * c * s / size], dim=1)
        return both @ self.W_E.T

    def forward(self, pairs):
        return self.from_embeddings(self.embed(pairs))


def test_a_drawn_pizza_sees_the_sum_and_minds_the_distance():
    triples = torch.randint(11, (50, 3), generator=seeded())
    pizza, clock = Drawn(11, 3, "pizza"), Drawn(11, 3, "clock")
    assert modular.gradient_symmetricity(pizza, triples).min() > 0.999
    assert modular.gradient_symmetricity(clock, triples).mean().abs() < 0.4
    assert modular.distance_irrelevance(modular.logit_table(pizza)) < 0.01


def test_a_logit_of_the_sum_alone_has_no_use_for_the_distance():
    p = 11
    a, b = torch.arange(p)[:, None], torch.arange(p)
    logits = wave(p, 2)[(a + b) % p][..., None].expand(-1, -1, p)
    assert modular.distance_irrelevance(logits) == pytest.approx(1, abs=1e-5)


# ---- What is shipped ----------------------------------------------------------------------------


def test_the_shipped_networks_do_what_their_readme_says():
    found = json.loads((FOLDER / "seeds.json").read_text())
    for name, seed, file in (
        ("decay", 0, "decay/step_04000"),
        ("no_decay", 0, "no_decay/step_04000"),
        *((kind, seed, f"{kind}_{seed}") for kind in ("clock", "pizza") for seed in (0, 1, 2)),
    ):
        model = modular.load_adder(FOLDER / f"{file}.safetensors")
        said = found[name][str(seed)]
        recipe = make.RECIPES[name]
        assert found[name]["recipe"] == {**asdict(recipe), "kept": list(recipe.kept)}
        measured = make.describe(model, recipe, seed)
        for key in ("held_out", "gradient_symmetricity", "distance_irrelevance"):
            assert measured[key] == pytest.approx(said[key], abs=2e-3), (file, key)
        assert measured["frequencies"][:3] == said["frequencies"][:3]


def test_the_recipe_runs_and_is_repeatable(tmp_path):
    for folder in ("one", "two"):
        make.main(["--tiny", "--out", str(tmp_path / folder)])
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len([f for f in files if f.suffix == ".safetensors"]) == 8
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_trial_does_not_overwrite_what_is_shipped():
    with pytest.raises(SystemExit):
        make.main(["--tiny"])


def test_the_folder_is_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*.*")) < 3e6
