"""data/induction: the recipe runs, and the shipped toys are what its README says they are."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.induction import make
from utils import models

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "data" / "induction"
LAST = "step_04000"


@pytest.fixture(scope="module")
def measured():
    """What the last shipped checkpoints do, measured here and now."""
    recipe = make.Recipe()
    found = {}
    for name in make.MODELS:
        model = models.load(f"induction/{name}/{LAST}", device="cpu")
        found[name] = make.evaluate(model, recipe)
        found[name]["without"] = make.ablations(model, recipe, found[name])
    return found


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_batch_repeats_one_segment():
    tokens, source = make.make_batch(make.Recipe(), 200, generator=generator())
    assert tokens.shape == source.shape == (200, 48)
    assert (tokens[:, 0] == make.BOS).all() and tokens[:, 1:].min() == 1 and tokens.max() == 64
    row, pos = (source >= 0).nonzero(as_tuple=True)
    assert torch.equal(tokens[row, pos], tokens[row, source[row, pos]])
    lengths = (source >= 0).sum(-1)
    assert lengths.min() == 10 and lengths.max() == 23
    lags = torch.tensor([int((p - s[p])[0]) for s in source if len(p := (s >= 0).nonzero()[:, 0])])
    assert lags.min() >= 10 and len(lags.unique()) > 20  # no fixed distance to learn
    assert source.max(-1).values.lt((source >= 0).float().argmax(-1)).all()  # no overlap
    assert source[source >= 0].min() >= 1  # BOS is no part of it


def test_too_long_a_segment_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        make.make_batch(replace(make.Recipe(), seq_len=20, max_len=10), 1, generator=generator())


def test_only_the_current_token_is_replaced():
    tokens, source = make.make_batch(make.Recipe(), 50, generator=generator())
    row, pos, _ = make.repeat_targets(source)
    changed = make.replace_current(tokens[row], pos, n_tokens=64, generator=generator(1))
    where = (changed != tokens[row]).nonzero()
    assert torch.equal(where[:, 1], pos[where[:, 0]] - 1)
    assert len(where) > 0.95 * len(row)  # 1 in 64 draws gives the same token


def test_the_targets_are_repeats_with_a_repeat_before_them():
    source = torch.tensor([[-1, -1, -1, -1, 1, 2, 3, -1]])
    row, pos, origin = make.repeat_targets(source)
    assert (row.tolist(), pos.tolist(), origin.tolist()) == ([0, 0], [5, 6], [2, 3])


def test_the_phase_change_is_found_where_it_is():
    log = {"step": [0, 100, 200, 300], "current_token": [0.0, 0.5, 2.0, 3.0]}
    assert make.phase_change(log) == {"begin": 100, "end": 300}
    log["current_token"] = [0.0, 0.0, 0.1, 0.1]
    assert make.phase_change(log) == {"begin": None, "end": None}


def test_the_counted_predictors_are_in_order():
    """Frequencies know least, then what came before, then where, then after what."""
    counted = make.baselines(make.Recipe())
    assert list(counted) == ["frequency", "bag", "position", "induction"]
    assert list(counted.values()) == sorted(counted.values(), reverse=True)


def test_the_recipe_runs_end_to_end(tmp_path):
    """In a process of its own, since it sets the number of threads."""
    command = [sys.executable, "-m", "data.induction.make", "--tiny", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["two_layer"]["step"] == log["one_layer"]["step"] == [0, 5, 10, 15, 20]
    assert (
        len(log["two_layer"]["induction"][-1]) == 2 and len(log["one_layer"]["induction"][0]) == 1
    )
    for name in ("two_layer", "one_layer"):
        steps = sorted(p.name for p in (tmp_path / name).iterdir())
        assert steps == ["step_00000", "step_00010", "step_00020"]
    assert models.load(tmp_path / "unknown", device="cpu").cfg.n_layers == 2
    summary = json.loads((tmp_path / "seeds.json").read_text())
    assert {"recipe", "baselines", "two_layer, seed 0", "one_layer, seed 0"} == set(summary)


def test_tiny_does_not_overwrite_what_is_shipped():
    with pytest.raises(SystemExit):
        make.main(["--tiny"])
    assert (FOLDER / "two_layer" / LAST / "model.safetensors").is_file()


def test_every_checkpoint_is_there_and_loads():
    for name in make.MODELS:
        folders = sorted(p.name for p in (FOLDER / name).iterdir())
        assert folders == [f"step_{s:05d}" for s in make.Recipe().checkpoints]
        for folder in folders:
            model = models.load(f"induction/{name}/{folder}", device="cpu")
            assert model.cfg.n_layers == make.MODELS[name] and model.cfg.attn_only


def test_the_shipped_log_and_recipe_agree():
    log = json.loads((FOLDER / "log.json").read_text())
    recipe = json.loads((FOLDER / "seeds.json").read_text())["recipe"]
    for name, columns in log.items():
        assert len({len(column) for column in columns.values()}) == 1, name
        assert set(recipe["checkpoints"]) <= set(columns["step"])
    assert recipe["lr"] == make.Recipe().lr and recipe["seq_len"] == make.Recipe().seq_len
    assert tuple(recipe["checkpoints"]) == make.Recipe().checkpoints


def test_two_layers_learned_induction(measured):
    """README's numbers, of the shipped seed. Losses in nats."""
    two = measured["two_layer"]
    assert two["loss_first"] == pytest.approx(4.04, abs=0.03)
    assert two["loss_repeat"] == pytest.approx(0.64, abs=0.03)
    assert two["accuracy"] == pytest.approx(0.88, abs=0.02)
    assert two["current_token"] > 3
    assert two["previous_token"][0][1] == pytest.approx(0.54, abs=0.02)
    assert max(s for head, s in enumerate(two["previous_token"][0]) if head != 1) < 0.1
    assert two["induction"][1][2:] == pytest.approx([0.68, 0.76], abs=0.02)
    assert max(two["induction"][1][:2]) < 0.05


def test_the_unknown_model_learned_induction_and_stands_in_no_log():
    model = models.load("induction/unknown", device="cpu")
    measures = make.evaluate(model, make.Recipe())
    assert measures["loss_repeat"] == pytest.approx(0.59, abs=0.03)
    assert f"seed {make.UNKNOWN}" not in (FOLDER / "seeds.json").read_text()


def test_one_layer_did_not(measured):
    """It lowers its loss by what needs no composition, and by no more."""
    one = measured["one_layer"]
    assert one["loss_repeat"] == pytest.approx(2.96, abs=0.03)
    assert one["loss_repeat"] > make.baselines(make.Recipe())["position"]
    assert one["accuracy"] < 0.25 and max(one["induction"][0]) < 0.1
    assert abs(one["current_token"]) < 0.2


def test_the_circuit_is_where_the_ablations_say(measured):
    without, normal = measured["two_layer"]["without"], measured["two_layer"]["loss_repeat"]
    assert without["L0H1"] > 3.7 and without["all induction heads"] > 3.9
    assert max(without[f"L0H{h}"] for h in (0, 2, 3)) < normal + 0.02
    assert without["L1H3"] > 2.8 and without["L1H2"] > 1.7
    assert without["the last layer's other heads"] < normal + 0.35


def test_the_induction_heads_read_the_previous_token_head():
    """By K-composition the previous-token head leads in both columns; by the weights, they copy."""
    from utils.circuits.composition import own_token_rank

    model = models.load(f"induction/two_layer/{LAST}", device="cpu")
    scores = model.all_composition_scores("K").scores[0, :, 1].detach()
    assert scores.argmax(0)[2:].tolist() == [1, 1]
    W_E, W_U = model.W_E.detach()[1:], model.W_U.detach()[:, 1:]
    W_Q, W_K, W_V, W_O = (w.detach() for w in (model.W_Q, model.W_K, model.W_V, model.W_O))
    for head in (2, 3):
        assert own_token_rank(W_E @ W_V[1, head] @ W_O[1, head] @ W_U) > 0.98
        written = [W_E @ W_V[0, h] @ W_O[0, h] for h in range(4)]
        # The same rank, of queries against the keys of what each head wrote.
        match = [own_token_rank(W_E @ W_Q[1, head] @ W_K[1, head].T @ w.T) for w in written]
        assert match[1] > 0.98 and max(match[:1] + match[2:]) < 0.5


def test_the_shipped_seeds_tell_the_same_story():
    summary = json.loads((FOLDER / "seeds.json").read_text())
    for seed in (0, 1, 2):
        two, one = summary[f"two_layer, seed {seed}"], summary[f"one_layer, seed {seed}"]
        assert 1000 <= two["phase_change"]["begin"] < two["phase_change"]["end"] <= 2000
        assert one["phase_change"]["begin"] is None
        assert two["loss_repeat"] < 0.7 < 2.9 < one["loss_repeat"]


def test_the_folder_is_small_and_holds_no_pickle():
    files = [p for p in FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {p.suffix for p in files} == {".py", ".md", ".json", ".safetensors", ".txt"}
    assert sum(p.stat().st_size for p in files) < 4_000_000
