"""The bench: what it counts, and that its JSON can be read. Times are never tested."""

import json

import torch

from tests import bench
from tests.small_models import N_WORDS, random_model
from utils.models import load


def test_live_tensors_counts_each_storage_once_and_forgets_it():
    model = torch.nn.Linear(4, 4)
    with bench.LiveTensors(model) as live:
        one = torch.zeros(1000)
        assert live.now == 4000
        view, weight = one[10:], model.weight[0]
        assert live.now == 4000, "views and the model's own weights are free"
        two = one + 1
        del one, view, weight
        assert live.now == 4000 and live.peak == 8000
        del two
    assert live.now == 0


def test_needed_operations_are_counted_by_hand():
    model = load("induction/two_layer/step_04000", device="cpu")
    d_model, d_vocab = model.cfg.d_model, model.cfg.d_vocab
    block = 4 * d_model**2  # q, k, v, o; no MLP
    blocks = 3 * (2 + 1) + 3 * (2 + 1)  # two patches a layer, 3 positions, through 2 or 1 blocks
    right = 2 * 5 * (blocks * block + 4 * d_model * d_vocab)
    assert bench.needed_operations(model, 5, [4, 4], 7) == right


def test_json_is_alone_on_standard_output(monkeypatch, capsys):
    def row(model, pairs):
        print("chatter")
        return bench.compare(lambda: torch.ones(3), lambda: torch.ones(3) + 0.5, pairs)

    monkeypatch.setattr(bench, "load", lambda: print("loaded"))
    monkeypatch.setitem(bench.ROWS, "patching_head_sweep", row)
    bench.main(["--json", "--pairs", "2", "--only", "patching_head_sweep"])
    found = json.loads(capsys.readouterr().out)["patching_head_sweep"]
    assert set(found) == {"ours_s", "transformer_lens_s", "ratio", "max_abs_diff"}
    assert found["max_abs_diff"] == 0.5
    bench.main(["--only", "patching_head_sweep"])
    assert "ratio" in capsys.readouterr().out


def test_the_harvest_row_compares_like_with_like(monkeypatch, tmp_path):
    model = random_model("llama", tmp_path)

    def some_texts(n_tokens):
        generator = torch.Generator().manual_seed(0)
        return list(torch.randint(1, N_WORDS, (n_tokens // 8 + 1, 8), generator=generator))

    monkeypatch.setattr(bench, "some_texts", some_texts)
    found = bench.harvest_row(model, pairs=1, layer=2)
    assert found["max_difference"] < 1e-3
