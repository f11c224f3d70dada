"""data/beliefs: the recipe runs, and the shipped toys are what its README says they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data.beliefs import make
from data.beliefs.task import PROCESSES
from utils import models

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "data" / "beliefs"


@pytest.fixture(scope="module")
def measured():
    """What the shipped models and untrained ones do, measured here and now."""
    found = {}
    for name in make.PROCESSES:
        trained = models.load(f"beliefs/{name}", device="cpu")
        untrained = make.new_model(make.Recipe(), n_tokens=len(PROCESSES[name]()), seed=make.NEW)
        both = {"trained": trained, "untrained": untrained}
        found[name] = make.evaluate(both, make.Recipe(), name)
    return found


def test_the_two_halves_share_no_sequence():
    T = PROCESSES["clock"]()
    train, test = make.different_sequences(
        T, 500, length=6, generator=torch.Generator().manual_seed(0)
    )
    rows = [tuple(row) for row in torch.cat([train, test]).tolist()]
    assert len(rows) == len(set(rows)) and abs(len(train) - len(test)) <= 1
    assert len(rows) < 2**6 + 1  # 6 tokens of 2 kinds


def test_the_recipe_runs_end_to_end(tmp_path):
    """In a process of its own, since it sets the number of threads."""
    command = [sys.executable, "-m", "data.beliefs.make", "--tiny", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["mess3"]["step"] == log["clock"]["step"] == [0, 5, 10]
    assert log["mess3"]["excess"][-1] < log["mess3"]["excess"][0]
    summary = json.loads((tmp_path / "seeds.json").read_text())
    assert {"recipe", "mess3, features", "mess3, seed 0", "clock, seed 0"} <= set(summary)
    for folder in ("mess3", "clock", "slow_clock"):
        assert models.load(tmp_path / folder, device="cpu").cfg.n_layers == 2


def test_tiny_does_not_overwrite_what_is_shipped():
    with pytest.raises(SystemExit):
        make.main(["--tiny"])
    assert (FOLDER / "mess3" / "model.safetensors").is_file()


def test_the_recipe_is_the_one_that_was_run():
    summary = json.loads((FOLDER / "seeds.json").read_text())
    assert make.Recipe(**summary["recipe"]) == make.Recipe()


def test_the_shipped_models_are_those_that_were_measured(measured):
    """On another machine the last digits may differ."""
    summary = json.loads((FOLDER / "seeds.json").read_text())
    for name, found in measured.items():
        for title, places in found.items():
            kept = summary[f"{name}, features" if title == "features" else f"{name}, seed 0"]
            kept = kept if title == "features" else kept[title]
            for place, values in places.items():
                if place == "exchanges":
                    continue
                assert values == pytest.approx(kept[place], rel=0.02, abs=0.01), (
                    name,
                    title,
                    place,
                )


def test_the_shipped_models_are_close_to_the_ideal_observer(measured):
    """In millinats above it."""
    for found in measured.values():
        assert found["trained"]["excess"] < 3 < 60 < found["untrained"]["excess"]


def test_every_seed_tells_the_same_story():
    summary = json.loads((FOLDER / "seeds.json").read_text())
    for name, of_prediction in (("mess3", 1.0), ("clock", 0.38), ("slow_clock", 0.48)):
        next_token = summary[f"{name}, features"]["next token"][0]
        assert next_token == pytest.approx(of_prediction, abs=0.02)
        for seed in (0, 1, 2):
            found = summary[f"{name}, seed {seed}"]
            places = [f"before block {layer}" for layer in range(3)]
            best = max(found["untrained"][place][0] for place in places)
            assert found["trained"]["after block 2"][0] > best
            if name == "mess3":
                continue
            assert found["trained"]["after block 2"][1] > 0.9
            slopes = found["exchanges"]
            one = {
                part: slopes[f"layer 2, one position, {part}"]
                for part in ("plane", "prediction", "forgettable")
            }
            assert one["prediction"]["own"][0] > 0.6 > 0.1 > abs(one["forgettable"]["own"][0])
            assert abs(one["plane"]["later"][0]) < 0.01
            assert slopes["layer 0, positions 0 to 9, stream"]["later"][0] > 0.75
            earlier, planes, rest = (
                slopes[f"layer 1, earlier positions, {part}"]["later"][0]
                for part in ("stream", "plane", "rest")
            )
            itself = slopes["layer 1, the position itself, stream"]["later"][0]
            tokens = slopes["layer 0, positions 0 to 9, stream"]["later"][0]
            assert earlier + itself == pytest.approx(tokens, abs=0.03)
            assert earlier > 0.25 and planes > 0.8 * earlier and abs(rest) < 0.1
    used = [
        summary[f"{name}, seed {seed}"]["exchanges"]["layer 1, one position, forgettable"]["later"][
            0
        ]
        for name in ("slow_clock", "clock")
        for seed in (0, 1, 2)
    ]
    assert [slope > 0.1 for slope in used] == [False, False, True, True, False, False]
    slow = summary["slow_clock, features"]
    assert slow["last 10"][1] < 0.8, "ten tokens of memory are too few for the slow clock"


def test_the_folder_is_small_and_holds_no_pickle():
    files = [p for p in FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {p.suffix for p in files} == {".py", ".md", ".json", ".safetensors"}
    assert sum(p.stat().st_size for p in files) < 1_000_000
