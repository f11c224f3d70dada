"""The recipe of the dictionaries: a training that was killed goes on, and ends as it would have."""

from functools import partial

import pytest
import torch

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
    assert asked == list(range(40, 60))
    assert torch.equal(torch.tensor(training.losses), unbroken)
    for mine, theirs in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for other in (KINDS[kind](D, M + 1), KINDS[kind](D, M)):  # other sizes; fewer steps
        with pytest.raises(ValueError, match="another run"):
            recipe.train(saes.Training(other, steps=50), vectors, file)
