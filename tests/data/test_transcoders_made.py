"""The recipe of the transcoders, and what it made."""

import json
import subprocess
import sys

import pytest
import torch

from data.transcoders import make as recipe
from utils.features.transcoders import Passed, Transcoder, harvest_mlp, load_transcoder
from utils.models import load

REPORT = {
    name: json.loads((recipe.FOLDER / name / "report.json").read_text()) for name in recipe.NAMES
}


def planted(n: int, seed: int) -> Passed:
    """A layer of 20 gated units: what it reads is Gaussian, of mean 2."""
    weights = torch.Generator().manual_seed(7)
    W_in, W_out = (torch.randn(size, generator=weights) for size in ((10, 20), (20, 6)))
    x = torch.randn(n, 10, generator=torch.Generator().manual_seed(seed)) + 2
    return Passed(x, (x @ W_in - 8).relu() @ W_out)


@pytest.mark.parametrize("skip", [False, True])
def test_training_beats_an_affine_map_and_random_latents(skip):
    seen, unseen = planted(30_000, 0), planted(2_000, 1)
    made = Transcoder(10, 64, 6, k=12, skip=skip)
    losses = torch.tensor(recipe.fit(made, seen, steps=400))
    made.requires_grad_(False)
    assert losses[-20:].mean() < 0.3 * losses[:20].mean()
    affine, random_one = recipe.linear(seen), recipe.random_transcoder(*seen, 64, k=12)
    rivals = [recipe.explained(lambda p: affine(p.x), unseen)]
    rivals += [recipe.explained(lambda p: random_one(p.x), unseen)]
    assert recipe.explained(lambda p: made(p.x), unseen) > max(rivals) + 0.1


def test_a_trial_does_not_overwrite_what_is_shipped(capsys):
    with pytest.raises(SystemExit):
        recipe.main(["--tiny"])
    assert "would overwrite what is shipped" in capsys.readouterr().err


def test_the_recipe_runs_end_to_end(tmp_path):
    command = [sys.executable, "-m", "data.transcoders.make", "--tiny", "--out", str(tmp_path)]
    subprocess.run([*command, "--name", "countdown"], check=True, cwd=recipe.FOLDER.parents[1])
    assert load_transcoder(tmp_path / "countdown" / "5").k == recipe.SMALL_K
    assert len(json.loads((tmp_path / "countdown" / "report.json").read_text())["explained"]) == 6


@pytest.mark.parametrize("layer", range(6))
def test_the_small_ones_explain_what_the_report_says(layer):
    made = load_transcoder(recipe.FOLDER / "countdown" / str(layer))
    passed = harvest_mlp(
        load("countdown/seed_0"), recipe.traces(200, test=True, seed=1), layer=layer
    )
    found = recipe.explained(lambda p: made(p.x), passed)
    assert found == pytest.approx(REPORT["countdown"]["explained"][layer], abs=0.002)
    assert int((made.encode(passed.x[:500]) > 0).sum(1).max()) <= recipe.SMALL_K


@pytest.mark.parametrize("name", ["plain", "skip"])
def test_those_of_smollm2_explain_what_the_report_says(name):
    made = load_transcoder(recipe.FOLDER / "smollm2" / name)
    held_out = [row for row in recipe.texts("held_out") if len(row) > 1][:300][::10]
    passed = harvest_mlp(load(), held_out, layer=recipe.LAYER)
    said = {"plain": "transcoder", "skip": "skip transcoder"}[name]
    found = recipe.explained(lambda p: made(p.x), passed)
    assert found == pytest.approx(REPORT["smollm2"]["explained"][said], abs=0.03)


def test_no_trace_to_test_is_among_those_trained_on():
    seen, unseen = (
        {tuple(row.tolist()) for row in recipe.traces(500, test=test, seed=0)}
        for test in (False, True)
    )
    assert not seen & unseen


def test_no_file_is_large():
    assert max(f.stat().st_size for f in recipe.FOLDER.rglob("*.safetensors")) < 4_000_000
