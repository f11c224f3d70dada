"""data/training: the loop that the recipes share, and what they write."""

import json

import pytest
import torch
from torch import nn

from data import training
from data.beliefs import make as beliefs
from data.countdown import make as countdown


def run(rates: tuple[float, float], **options):
    """Move two weights from 0 towards 1, each with its own rate, in six steps.

    Returns:
        The weights [step, weight] before each step and after all, and what came back.
    """
    weights = [nn.Parameter(torch.zeros(())) for _ in rates]
    seen = []

    def gradients(step: int) -> torch.Tensor:
        seen.append([w.item() for w in weights])
        assert len(seen) == step + 1
        assert all(w.grad is None for w in weights), "the last step's gradients are gone"
        loss = sum((w - 1).square() for w in weights)
        loss.backward()
        return loss

    optimizers = [torch.optim.SGD([w], lr=r) for w, r in zip(weights, rates, strict=True)]
    made = training.train(gradients, optimizers, title="", steps=6, **options)
    return torch.tensor([*seen, [w.item() for w in weights]]), *made


def test_rates_rise_and_fall_from_what_each_optimizer_has():
    fall = [1.0, 1.0, 1.0, 0.5, 0.25, 0.0]
    weights, _, _ = run((0.1, 0.2), warmup=4, fall=fall.__getitem__, measured_at={0})
    for column, rate in zip(weights.T, (0.1, 0.2), strict=True):
        w, right = 0.0, [0.0]
        for share in (0.25, 0.5, 0.75, 0.5, 0.25, 0.0):
            w -= share * rate * 2 * (w - 1)
            right.append(w)
        torch.testing.assert_close(column, torch.tensor(right))


def test_measures_are_taken_after_the_steps_that_were_asked_for():
    weights, log, losses = run(
        (0.1, 0.1), warmup=1, measured_at={0, 1, 4, 6}, measure=lambda step: {"twice": 2 * step}
    )
    assert losses == pytest.approx((weights[:-1] - 1).square().sum(-1).tolist())
    assert log["step"] == [0, 1, 4, 6] and log["twice"] == [0, 2, 8, 12]
    means = [losses[0], sum(losses[1:4]) / 3, sum(losses[4:]) / 2]
    assert log["train_loss"][0] is None and log["train_loss"][1:] == pytest.approx(means)


@pytest.mark.parametrize(
    ("model", "n_matrices"),
    [
        (beliefs.new_model(beliefs.TINY, n_tokens=3, seed=0), 2 * 6),
        (countdown.new_model(countdown.Recipe(0)), 6 * 7),
    ],
    ids=["native", "llama"],
)
def test_every_weight_is_in_one_optimizer_and_muon_has_the_blocks_matrices(model, n_matrices):
    muon, adamw = training.muon_and_adamw(model, muon=(0.02, 0.1), adamw=(0.003, 0.01))
    held = [id(p) for each in (muon, adamw) for group in each.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    matrices = muon.param_groups[0]["params"]
    assert len(matrices) == n_matrices and all(p.dim() == 2 for p in matrices)
    assert [each.param_groups[0]["lr"] for each in (muon, adamw)] == [0.02, 0.003]
    assert [each.param_groups[0]["weight_decay"] for each in (muon, adamw)] == [0.1, 0.01]


@pytest.mark.parametrize("switch", ["--tiny", "--single"])
def test_a_trial_goes_elsewhere(switch, tmp_path, capsys):
    single = {"action": "store_true"}
    with pytest.raises(SystemExit):
        training.options([switch], "", tmp_path, single=single)
    assert "--out" in capsys.readouterr().err
    threads = torch.get_num_threads()
    found = training.options([switch, "--out", str(tmp_path / "new")], "", tmp_path, single=single)
    assert (found.tiny, found.single) == (switch == "--tiny", switch == "--single")
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)


def test_a_copy_has_the_weights_that_a_file_will_give_back():
    model, copy = nn.Linear(3, 2), nn.Linear(3, 2)
    training.copy_as_saved(model, copy)
    assert torch.equal(copy.weight, model.weight.half().float())
    assert not torch.equal(copy.weight, model.weight)


def test_json_has_a_line_for_each_key_and_short_numbers(tmp_path):
    training.write_json(tmp_path / "new" / "a.json", {"a": [1 / 3, (2, None)], "b": {5: 0.12345}})
    text = (tmp_path / "new" / "a.json").read_text(encoding="utf-8")
    assert text.splitlines() == ["{", '"a": [0.3333, [2, null]],', '"b": {"5": 0.1235}', "}"]
    assert json.loads(text)["b"] == {"5": 0.1235}


def test_what_is_shipped_stays_until_what_replaces_it_is_whole(tmp_path):
    class Broken:
        def save_pretrained(self, folder):
            raise OSError("No space left on device")

    def made(seed):
        return countdown.new_model(countdown.Recipe(seed))

    training.save_pretrained(made(0), countdown.new_tokenizer(), tmp_path, how={"seed": 0})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json"} <= set(before)
    with pytest.raises(OSError):
        training.save_pretrained(made(1), Broken(), tmp_path, how={"seed": 1})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    training.save_pretrained(made(1), countdown.new_tokenizer(), tmp_path, how={"seed": 1})
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(after) == set(before) and after["model.safetensors"] != before["model.safetensors"]

    with pytest.raises(ValueError, match="'b' holds NaN"):
        training.write_json(tmp_path / "training.json", {"a": 1, "b": [float("nan")]})
    assert (tmp_path / "training.json").read_bytes() == after["training.json"]
