"""The recipe of the dictionaries, and what it made."""

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
    "jumprelu": partial(saes.JumpReLUSAE, l0=0.005),
}


def vectors(step: int) -> torch.Tensor:
    """Sparse sums of 20 directions, [128, D]."""
    directions = torch.randn(20, D, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(step)
    active = torch.rand(128, 20, generator=generator) < 0.1
    return (active * torch.rand(128, 20, generator=generator)) @ directions


@pytest.mark.parametrize("kind", KINDS)
def test_training_recovers_planted_directions_and_a_random_dictionary_does_not(kind):
    sae, unseen = KINDS[kind](D, M), torch.cat([vectors(10_000 + i) for i in range(8)])
    scale = unseen.var(0).sum().sqrt().item()
    before = saes.quality(sae, unseen).explained
    losses = torch.tensor(recipe.fit(sae, vectors, steps=400, lr=3e-3, scale=scale))
    assert losses[-20:].mean() < 0.4 * losses[:20].mean()
    assert saes.quality(sae, unseen).explained > 0.8 > before
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(M))


def test_dead_latents_come_back():
    """Those that can never be among the k largest learn from the error of the others."""
    alive = {}
    for aux in (0.0, 1 / 8):
        sae = saes.TopKSAE(D, M, k=4, aux=aux)
        sae.b_enc.data[: M // 2] = -1.0
        recipe.fit(sae, vectors, steps=300, scale=1.0, dead_after=20)
        alive[aux] = 1 - saes.quality(sae, vectors(10_000)).dead
    assert alive[1 / 8] > alive[0.0]


def test_an_epoch_has_each_vector_once_in_an_order_of_its_own():
    x = torch.arange(50.0)[:, None].half()
    batch = recipe.shuffled(x, batch_size=8)
    epochs = [[v for step in range(6) for v in batch(6 * e + step)[:, 0].tolist()] for e in (0, 1)]
    assert all(len(set(epoch)) == 48 for epoch in epochs) and epochs[0] != epochs[1]
    assert torch.equal(recipe.shuffled(x, batch_size=8)(7), batch(7))


def test_a_loss_that_is_not_finite_stops_the_training():
    with pytest.raises(ValueError, match="loss is nan at step 20"):
        recipe.fit(
            saes.TopKSAE(D, M, k=4),
            lambda step: vectors(step) * (float("nan") if step == 20 else 1),
            steps=40,
            scale=1.0,
        )


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
