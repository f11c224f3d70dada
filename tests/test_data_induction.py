"""data/induction: the recipe runs, and the shipped toys are what its README says they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from utils import models

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "data" / "induction"
LAST = "step_04000"


@pytest.fixture(scope="module")
def make():
    """The recipe as a module, though data/ is no package."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("make_induction", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def measured(make):
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


def test_a_batch_repeats_one_segment(make):
    tokens, source = make.make_batch(200, generator=generator())
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


def test_too_long_a_segment_is_refused(make):
    with pytest.raises(ValueError, match="do not fit"):
        make.make_batch(1, generator=generator(), seq_len=20, max_len=10)


def test_shuffling_moves_only_the_first_occurrence(make):
    tokens, source = make.make_batch(50, generator=generator())
    shuffled = make.shuffle_source(tokens, source, generator=generator(1))
    origin = torch.zeros_like(source, dtype=torch.bool)
    origin.scatter_(1, source.clamp(min=0), source >= 0)
    assert torch.equal(shuffled[~origin], tokens[~origin])
    assert not torch.equal(shuffled[origin], tokens[origin])
    assert torch.equal(shuffled.sort(-1).values, tokens.sort(-1).values)


def test_the_targets_are_repeats_with_a_repeat_before_them(make):
    source = torch.tensor([[-1, -1, -1, -1, 1, 2, 3, -1]])
    row, pos, origin = make.repeat_targets(source)
    assert (row.tolist(), pos.tolist(), origin.tolist()) == ([0, 0], [5, 6], [2, 3])


def test_the_phase_change_is_found_where_it_is(make):
    log = {"step": [0, 1, 2, 3], "loss_shuffled": [4.0] * 4, "loss_repeat": [4.0, 3.5, 2.0, 1.0]}
    assert make.phase_change(log) == {"begin": 1, "end": 3}
    assert make.phase_change({**log, "loss_repeat": [3.9] * 4}) == {"begin": None, "end": None}


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
    assert len(log["two_layer"]["induction"][-1]) == 2 and len(log["one_layer"]["induction"][0]) == 1
    for name in ("two_layer", "one_layer"):
        steps = sorted(p.name for p in (tmp_path / name).iterdir())
        assert steps == ["step_00000", "step_00010", "step_00020"]
    summary = json.loads((tmp_path / "seeds.json").read_text())
    assert {"recipe", "baselines", "two_layer, seed 0", "one_layer, seed 0"} == set(summary)


def test_tiny_does_not_overwrite_what_is_shipped(make):
    with pytest.raises(SystemExit):
        make.main(["--tiny"])
    assert (FOLDER / "two_layer" / LAST / "model.safetensors").is_file()


def test_every_checkpoint_is_there_and_loads(make):
    for name in make.MODELS:
        folders = sorted(p.name for p in (FOLDER / name).iterdir())
        assert folders == [f"step_{s:05d}" for s in make.Recipe().checkpoints]
        for folder in folders:
            model = models.load(f"induction/{name}/{folder}", device="cpu")
            assert model.cfg.n_layers == make.MODELS[name] and model.cfg.attn_only


def test_the_shipped_log_and_recipe_agree(make):
    log = json.loads((FOLDER / "log.json").read_text())
    recipe = json.loads((FOLDER / "seeds.json").read_text())["recipe"]
    for name, columns in log.items():
        assert len({len(column) for column in columns.values()}) == 1, name
        assert set(recipe["checkpoints"]) <= set(columns["step"])
    assert recipe["lr"] == make.Recipe().lr and recipe["seq_len"] == make.Recipe().seq_len
    assert tuple(recipe["checkpoints"]) == make.Recipe().checkpoints
