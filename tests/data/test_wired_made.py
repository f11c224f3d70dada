"""data/wired: the weights are what make.py writes, and the listed edges are the true ones."""

import contextlib
import importlib.util
import io
import itertools
import json
import sys
from pathlib import Path

import pytest
import torch

from data import native
from data.wired import task
from utils import models
from utils.circuits import discovery

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "data" / "wired"


@pytest.fixture(scope="module")
def make():
    """The recipe as a module, though data/ is no package."""
    spec = importlib.util.spec_from_file_location("make_wired", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def shipped():
    with contextlib.redirect_stdout(io.StringIO()):
        return models.load("wired/names", device="cpu")


@pytest.fixture(scope="module")
def rewired():
    with contextlib.redirect_stdout(io.StringIO()):
        return models.load("wired/rewired", device="cpu")


@pytest.fixture(scope="module")
def bare(make):
    return make.build(noise=0.0)


@pytest.fixture(scope="module")
def wiring():
    read = json.loads((FOLDER / "wiring.json").read_text())
    edges = [tuple(edge) for edge in read["edges"]]
    either = [[tuple(edge) for edge in branch] for branch in read["either"]]
    return {**read, "edges": edges, "either": either, "both": [tuple(e) for e in read["both"]]}


def lost(model, edge_sets) -> list[float]:
    """The share of the behaviour that is lost when each set of edges is knocked out."""
    made = task.toy_prompts()
    sets = [(), discovery.graph(model).edges(), *edge_sets]
    settings = {"source": made.corrupted, "metric": made.logit_diff, "batch_size": 960}
    got = discovery.patched_edges(model, made.clean, edge_sets=sets, **settings).mean(1)
    return ((got[0] - got[2:]) / (got[0] - got[1])).tolist()


def test_the_shipped_weights_are_what_make_writes(make, shipped, tmp_path):
    wired, _ = make.rewired()
    for name, model in (("names", make.build()), ("rewired", make.build(wired=wired, seed=1))):
        folder = native.save_native(model, tmp_path / name)
        for file in ("config.json", "model.safetensors"):
            assert (folder / file).read_bytes() == (FOLDER / name / file).read_bytes()
    read = json.loads((FOLDER / "wiring.json").read_text())
    assert [tuple(edge) for edge in read["edges"]] == list(make.EDGES)
    assert read["jobs"] == make.JOBS and read["tokens"] == list(task.TOKENS)
    assert set(read["jobs"]) == {f"L{i}H{j}" for i in range(3) for j in range(4)}


@pytest.mark.parametrize("model", ["bare", "shipped", "rewired"])
def test_it_does_the_task_on_all_240_prompts(model, request):
    made, model = task.toy_prompts(), request.getfixturevalue(model)
    assert len({tuple(row) for row in torch.cat([made.clean, made.corrupted], 1).tolist()}) == 240
    with torch.no_grad():
        assert (model(made.clean)[:, -1].argmax(-1) == made.io).all()
        neither = made.logit_diff(model(made.corrupted)).mean()
    assert neither.abs() < 0.05, "neither name is right after a third one"
    assert len(task.toy_prompts(every=5).clean) == 48


def test_unlisted_edges_carry_nothing_and_listed_ones_everything(bare, shipped, wiring):
    for model, within in ((bare, 1e-4), (shipped, 0.01)):
        unlisted = [e for e in discovery.graph(model).edges() if e not in wiring["edges"]]
        assert len(unlisted) == 183
        nothing, everything = lost(model, [unlisted, wiring["edges"]])
        assert abs(nothing) < within and abs(everything - 1) < within


def test_no_unlisted_edge_matters_even_alone(bare, wiring):
    unlisted = [e for e in discovery.graph(bare).edges() if e not in wiring["edges"]]
    assert max(abs(x) for x in lost(bare, [[edge] for edge in unlisted])) < 1e-4


@pytest.mark.parametrize("model", ["bare", "shipped"])
def test_every_listed_edge_matters_the_twins_jointly(model, wiring, request):
    model, (first, second) = request.getfixturevalue(model), wiring["either"]
    alone = [edge for edge in wiring["edges"] if edge not in [*first, *second]]
    assert len(alone) == 6 and min(lost(model, [[edge] for edge in alone])) > 0.2
    # Of the twins, none alone, and any of the one with any of the other.
    assert max(abs(x) for x in lost(model, [[edge] for edge in [*first, *second]])) < 0.02
    jointly = [list(pair) for pair in itertools.product(first, second)]
    assert len(jointly) == 4 and min(lost(model, jointly)) > 0.6


def test_the_gate_needs_both_of_its_edges(bare, wiring):
    """Run backwards: neither of the two brings anything back alone."""
    second_path = [("embed", "L0H0.q"), ("L1H2", "L2H1.q"), ("L2H1", "logits")]
    every = discovery.graph(bare).edges()
    both = wiring["both"]
    keep = [[both[0], *second_path], [both[1], *second_path], [*both, *second_path]]
    one, other, together = (
        1 - x for x in lost(bare, [[e for e in every if e not in k] for k in keep])
    )
    assert max(abs(one), abs(other)) < 0.03 and together > 0.28


def test_the_second_toy_has_three_copies(make, rewired):
    _, true = make.rewired()
    assert set(true) <= set(discovery.graph(rewired).edges()) and len(true) == 12
    unlisted = [edge for edge in discovery.graph(rewired).edges() if edge not in true]
    nothing, everything = lost(rewired, [unlisted, true])
    assert abs(nothing) < 0.02 and abs(everything - 1) < 0.02
    ins = [
        edge for edge in true if edge[0][:2] == "L0" and edge[1] in ("L1H1.v", "L1H2.v", "L1H3.v")
    ]
    pairs = [list(pair) for pair in itertools.combinations(ins, 2)]
    assert len(pairs) == 3 and max(abs(x) for x in lost(rewired, pairs)) < 0.05
    assert lost(rewired, [ins])[0] > 0.6


def test_decoys_look_the_part(shipped):
    _, cache = shipped.run_with_cache(task.toy_prompts().clean)
    mover, decoy = cache["pattern", 2][:, 0, -1], cache["pattern", 2][:, 3, -1]
    assert torch.allclose(mover, decoy, atol=0.05) and mover.max(-1).values.min() > 0.9
    written = torch.stack(
        [
            (cache["z", layer][:, -1, h] @ shipped.blocks[layer].attn.W_O[h]).norm(dim=-1).mean()
            for layer in range(3)
            for h in range(4)
        ]
    )
    assert set(written.topk(2).indices.tolist()) == {2, 10}, "L0H2 and L2H2 write most"


def test_the_folder_is_small_and_holds_no_pickle():
    files = [p for p in FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {p.suffix for p in files} == {".py", ".md", ".json", ".safetensors"}
    assert sum(p.stat().st_size for p in files) < 250_000
