"""utils.features.diffing: planted pairs, and what a crosscoder and its scaling say of them."""

import pytest
import torch

from utils.features import diffing
from utils.features.diffing import Crosscoder


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def perfect(pair: diffing.PlantedPair, *, base: torch.Tensor) -> Crosscoder:
    """Decoder rows that are the features', the base model's at these lengths."""
    rows = torch.stack([base[:, None] * pair.directions, pair.scale[1, :, None] * pair.directions])
    n, d = pair.directions.shape
    return Crosscoder(torch.zeros(2, d, n), torch.zeros(n), rows, torch.zeros(2, 1, d))


def test_a_pair_has_what_was_asked_for():
    pair = diffing.planted_pair((0.1, 0.3), n=10, d_model=6, only=(1, 2), generator=seeded(0))
    assert torch.allclose(pair.directions.norm(dim=1), torch.ones(10))
    assert torch.allclose(pair.scale[0], torch.tensor([0.1, 0.1, 0.3, 0.3, 0, 0, 1, 1, 1, 1]))
    assert torch.allclose(pair.scale[1], torch.tensor([1.0, 1, 1, 1, 1, 1, 0, 1, 1, 1]))
    with pytest.raises(ValueError, match="too few"):
        diffing.planted_pair((0.1, 0.3), n=5, generator=seeded(0))


def test_both_models_share_strengths_and_not_noise():
    pair = diffing.planted_pair((0.5,), n=8, d_model=4, only=(1, 1), generator=seeded(0))
    x, strength = diffing.draw_pair(pair, 2000, p=0.2, noise=0.0, generator=seeded(1))
    assert torch.allclose(x[1], (strength * pair.scale[1]) @ pair.directions, atol=1e-5)
    active = strength > 0
    assert 0.17 < active.float().mean() < 0.23
    assert strength[active].min() >= 0.5 and strength.max() <= 1.5
    x, strength = diffing.draw_pair(pair, 2000, noise=0.1, generator=seeded(1))
    noise = [x[m] - (strength * pair.scale[m]) @ pair.directions for m in (0, 1)]
    assert abs(torch.corrcoef(torch.stack(noise).flatten(1))[0, 1]) < 0.05


def test_batch_top_k_keeps_as_many_over_the_batch():
    coder = Crosscoder(*(w.detach() for w in diffing.new_crosscoder(5, 30, generator=seeded(0))))
    x = torch.randn(2, 40, 5, generator=seeded(1))
    f = diffing.encode(coder, x, k=2.5)
    assert (f > 0).sum() == 100 and (f > 0).sum(1).float().std() > 0


def test_scaling_sees_what_the_decoder_has_lost():
    """A base decoder row of length 0 for a feature that the base model has at 0.3."""
    pair = diffing.planted_pair((0.3,), n=12, d_model=12, only=(1, 1), generator=seeded(0))
    pair = pair._replace(directions=torch.linalg.qr(pair.directions)[0])
    x, strength = diffing.draw_pair(pair, 4000, p=0.3, noise=0.01, generator=seeded(1))
    base = pair.scale[0].clone()
    base[:2] = 0
    coder = perfect(pair, base=base)
    assert diffing.norm_ratio(coder)[0] == 0
    scaling = diffing.latent_scaling(coder, x, strength)
    assert torch.allclose(scaling[0, :3], torch.tensor([0.3, 0.3, 0.0]), atol=0.02)
    assert torch.allclose(scaling[1, :3], torch.ones(3), atol=0.02)


def test_a_latent_that_is_never_active_has_no_scaling():
    pair = diffing.planted_pair((0.3,), n=6, d_model=6, only=(1, 1), generator=seeded(0))
    x, strength = diffing.draw_pair(pair, 50, p=0.5, generator=seeded(1))
    strength[:, 5] = 0
    assert (
        diffing.latent_scaling(perfect(pair, base=pair.scale[0]), x, strength)[:, 5].isnan().all()
    )


def test_latents_are_matched_by_the_model_that_has_the_feature():
    pair = diffing.planted_pair((0.3,), n=6, d_model=6, only=(1, 1), generator=seeded(0))
    _, strength = diffing.draw_pair(pair, 50, p=0.5, generator=seeded(1))
    found = diffing.matched_latents(perfect(pair, base=pair.scale[0]), pair, strength)
    assert found == {i: i for i in range(6)}
    strength[:, 4] = 0
    assert 4 not in diffing.matched_latents(perfect(pair, base=pair.scale[0]), pair, strength)


def test_a_decoder_norm_that_grows_does_not_escape_the_penalty():
    coder = Crosscoder(*(w.detach() for w in diffing.new_crosscoder(5, 8, generator=seeded(0))))
    x = torch.randn(2, 20, 5, generator=seeded(1))
    f = diffing.encode(coder, x)
    turned = coder._replace(W_dec=10 * coder.W_dec)
    loss = diffing.crosscoder_loss(coder, x, f, penalty=0.5)
    assert torch.allclose(loss, diffing.crosscoder_loss(turned, x, f / 10, penalty=0.5), rtol=1e-5)
