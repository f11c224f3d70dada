"""The recipe of the dictionaries: a training that was killed goes on, and ends as it would have."""

from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from data.sae import make as recipe
from utils.features import sae as saes

D, M = 12, 30
KINDS = {
    "relu": partial(saes.ReLUSAE, l1=0.02),
    "topk": partial(saes.TopKSAE, k=4),
    "sparse topk": partial(saes.TopKSAE, k=4),
    "jumprelu": partial(saes.JumpReLUSAE, l0=0.005),
}


def vectors(step: int) -> torch.Tensor:
    """Sparse sums of 20 directions, [128, D]."""
    directions = torch.randn(20, D, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(step)
    active = torch.rand(128, 20, generator=generator) < 0.1
    return (active * torch.rand(128, 20, generator=generator)) @ directions


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_where_an_unbroken_one_does(kind, tmp_path, monkeypatch):
    if kind == "sparse topk":
        monkeypatch.setattr(saes, "DENSE_BELOW", 0)
    setting = {"steps": 60, "scale": 2.0, "dead_after": 10}
    file = tmp_path / "run" / "state.safetensors"
    whole = KINDS[kind](D, M)
    unbroken = saes.train(whole, vectors, **setting)

    def killed(step: int) -> torch.Tensor:
        if step == 47:
            raise KeyboardInterrupt
        return vectors(step)

    with pytest.raises(KeyboardInterrupt):
        recipe.train(saes.Training(KINDS[kind](D, M), **setting), killed, file, every=20)
    again, asked = KINDS[kind](D, M), []
    training = saes.Training(again, **setting)
    recipe.train(training, lambda step: asked.append(step) or vectors(step), file, every=20)
    again.rescale(setting["scale"])
    assert asked == [39, *range(40, 60)], "the last step's vectors say whether they are the same"
    assert torch.equal(torch.tensor(training.losses), unbroken)
    for mine, theirs in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def finished(file, *, batches=vectors, k=4, seed=0, steps=20, **how) -> None:
    """A run of few steps, to its end or on from the file."""
    generator = torch.Generator().manual_seed(seed)
    sae = saes.TopKSAE(D, M, k=k, generator=generator)
    recipe.train(saes.Training(sae, steps=steps, **how), batches, file)


def test_a_checkpoint_of_another_run_is_not_taken(tmp_path):
    file = tmp_path / "state.safetensors"
    finished(file)
    kept = file.read_bytes()
    finished(file)  # the same again: nothing is left to do
    for other, said in [
        ({"k": 5}, "k is 4, not 5"),
        ({"seed": 1}, "another seed"),
        ({"lr": 1e-2}, "lr is 0.001, not 0.01"),
        ({"scale": 2.0}, "scale is 1, not 2"),
        ({"steps": 30}, "steps is 20, not 30"),
        ({"dead_after": 10}, "dead_after is 200, not 10"),
        ({"batches": lambda step: vectors(step + 1)}, "vectors are others"),
    ]:
        with pytest.raises(ValueError, match=f"of another run .*{said}"):
            finished(file, **other)
    for other, said in [
        (saes.ReLUSAE(D, M), "kind is topk, not standard"),
        (saes.TopKSAE(D, M + 1, k=4), "W_dec has another shape"),
    ]:
        with pytest.raises(ValueError, match=said):
            recipe.train(saes.Training(other, steps=20), vectors, file)
    assert file.read_bytes() == kept


def test_a_damaged_checkpoint_is_said_and_left(tmp_path):
    file = tmp_path / "state.safetensors"
    finished(file)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    for damaged in (bytes(flipped), whole[:-10], whole[:5], b""):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged.*delete it"):
            finished(file)
        assert file.read_bytes() == damaged


def test_a_loss_that_is_not_finite_does_not_replace_a_good_checkpoint(tmp_path):
    file = tmp_path / "state.safetensors"
    training = saes.Training(saes.TopKSAE(D, M, k=4), steps=40)

    def spoilt(step: int) -> torch.Tensor:
        return vectors(step) * (float("nan") if step == 20 else 1)

    with pytest.raises(ValueError, match="loss of step 20 is nan"):
        recipe.train(training, spoilt, file, every=10)
    assert all(weight.isfinite().all() for weight in training.sae.parameters())
    again = saes.Training(saes.TopKSAE(D, M, k=4), steps=40)
    recipe.train(again, vectors, file, every=10)
    assert len(again.losses) == 40


def test_a_trial_does_not_overwrite_what_is_shipped(capsys):
    with pytest.raises(SystemExit):
        recipe.main(["--epochs", "0.1"])
    assert "would overwrite what is shipped" in capsys.readouterr().err


def test_the_activity_beside_a_dictionary_is_that_dictionarys():
    """On the first texts that were kept, encoded here and now."""
    sae = saes.load_sae(recipe.FOLDER / "smollm2").requires_grad_(False)
    kept = load_file(recipe.FOLDER / "smollm2" / recipe.ACTIVITY)
    for split, (_, n_tokens) in recipe.SPLITS.items():
        first = kept[f"{split}.text"] < 3
        rows = [kept[f"{split}.tokens"][kept[f"{split}.text"] == text] for text in range(3)]
        acts = sae.encode(saes.harvest(recipe.load(), rows, layer=recipe.LAYER))
        index, value = (kept[f"{split}.{name}"][first] for name in ("index", "value"))
        found = torch.zeros_like(acts).scatter_(1, index.long(), value.float())
        assert ((found - acts).square().sum() / acts.square().sum()) < 0.01
        assert n_tokens <= len(kept[f"{split}.tokens"]) < n_tokens + 200
        control = kept[f"{split}.control_index"][kept[f"{split}.control_value"] > 0]
        assert 0 <= int(control.min()) <= int(control.max()) < recipe.CONTROLS
