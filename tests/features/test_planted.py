"""Planted worlds: what is drawn is what was promised, and the measures find what is there."""

import pytest
import torch

from utils.features import planted
from utils.features import sae as saes

D = 10
number = planted.world_generator


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_vector_is_an_offset_and_a_sum_of_directions():
    world = planted.independent(14, D, active=2.0, span=5.0, generator=number(3))
    x, coefficients = planted.draw(world, 20_000, generator=number(1))
    torch.testing.assert_close(x, coefficients @ world.directions + world.offset)
    torch.testing.assert_close(world.directions.norm(dim=1), torch.ones(14))
    active = coefficients > 0
    assert active.float().sum(1).mean() == pytest.approx(2, abs=0.05)
    torch.testing.assert_close(active.float().mean(0), world.frequency, rtol=0, atol=0.012)
    assert (world.frequency[0] / world.frequency[-1]).item() == pytest.approx(5)
    assert coefficients[active].min() >= 0.5 and coefficients[active].max() <= 1.5
    together = (active[:, 0] & active[:, 1]).float().mean()
    assert together.item() == pytest.approx((world.frequency[0] * world.frequency[1]).item(), 0.2)


def test_a_child_is_active_with_its_parent_alone_and_never_with_a_sibling():
    world = planted.families(3, 4, D, active=1.0, alone=0.4, generator=number(0))
    x, coefficients = planted.draw(world, 20_000, generator=number(1))
    torch.testing.assert_close(x, coefficients @ world.directions + world.offset)
    parents, children = coefficients[:, :3], coefficients[:, 3:].unflatten(1, (3, 4))
    grown = (children > 0).sum(-1)
    assert grown.max() == 1 and not grown[parents == 0].any()
    assert (grown[parents > 0] == 0).float().mean().item() == pytest.approx(0.4, abs=0.015)
    found = (coefficients > 0).float().mean(0)
    torch.testing.assert_close(found, world.frequency, rtol=0, atol=0.012)
    older, younger = parents[grown > 0], children.sum(-1)[grown > 0]
    assert torch.corrcoef(torch.stack([older, younger]))[0, 1].abs() < 0.03


def test_seeds_give_the_same_again_and_other_seeds_something_else():
    def world(seed):
        return planted.independent(14, D, active=2.0, span=5.0, generator=number(seed))

    assert torch.equal(world(1).directions, world(1).directions)
    assert not torch.equal(world(1).directions, world(2).directions)
    first = planted.draw(world(0), 5, generator=number(1))[0]
    assert torch.equal(first, planted.draw(world(0), 5, generator=number(1))[0])
    assert not torch.equal(first, planted.draw(world(0), 5, generator=number(2))[0])


@pytest.mark.parametrize("seed", range(4))
def test_an_sae_of_the_same_seed_does_not_start_at_the_planted_directions(seed):
    world = planted.independent(14, D, active=2.0, span=5.0, generator=number(seed))
    start = saes.ReLUSAE(D, 14, generator=seeded(seed)).W_dec.detach()
    assert planted.best_cosine(world.directions, start).mean() < 0.8
    assert (world.directions * start).sum(1).abs().mean() < 0.5


def test_best_cosine_of_a_dictionary_that_holds_the_directions_and_of_one_that_does_not():
    world = planted.independent(5, D, active=1.0, span=1.0, generator=number(0))
    shuffled = 3 * world.directions[torch.tensor([4, 2, 0, 1, 3])]
    torch.testing.assert_close(planted.best_cosine(world.directions, shuffled), torch.ones(5))
    assert planted.best_cosine(world.directions, -shuffled).max() < 0.95


def test_shuffled_coordinates_keep_their_values_and_lose_their_directions():
    world = planted.independent(8, D, active=1.0, span=2.0, generator=number(5))
    plain, shuffled = (planted.batches(world, 20, number=3, shuffled=s) for s in (False, True))
    x, mixed = (torch.cat([vectors(i) for i in range(20)]) for vectors in (plain, shuffled))
    torch.testing.assert_close(x.sort(0).values, mixed.sort(0).values)
    correlated = torch.corrcoef(mixed.T) - torch.eye(D)
    assert correlated.abs().max() < 0.1 < (torch.corrcoef(x.T) - torch.eye(D)).abs().max()
    assert not torch.equal(plain(0), plain(1))
    assert torch.equal(plain(0), planted.batches(world, 20, number=3)(0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: saes.ReLUSAE(D, 12, l1=0.2, generator=seeded(1)),
        lambda: saes.TopKSAE(D, 12, k=2, aux=0, generator=seeded(1)),
        lambda: saes.BatchTopKSAE(D, 12, k=1, generator=seeded(1)),
    ],
    ids=["relu", "topk", "batchtopk"],
)
def test_training_finds_features_and_their_twins_and_shuffled_vectors_do_not_teach_them(make):
    world = planted.independent(8, D, active=1.0, span=2.0, generator=number(5))

    def trained(shuffled: bool) -> planted.Score:
        sae, vectors = make(), planted.batches(world, 300, number=1, shuffled=shuffled)
        sae.b_dec.data.copy_(vectors(0).mean(0))
        losses = planted.fit(sae, vectors, steps=300)
        assert sum(losses[-20:]) < sum(losses[:20])
        torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(12))
        return planted.recovered(sae, world)

    found, other = trained(False), trained(True)
    assert found.found >= 6 and found.fvu < 0.7 and other.found <= 1
    assert planted.twins(found.directions, world.directions).sum() >= 6


def test_the_readers_top_k_is_that_of_the_library():
    sae = saes.TopKSAE(D, 12, k=3, generator=seeded(1))
    x = torch.randn(20, D, generator=seeded(2))
    acts, x_hat = planted.top_k_sae(x, sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, k=3)
    torch.testing.assert_close(acts, sae.encode(x))
    torch.testing.assert_close(x_hat, sae(x))


def test_twins_are_paired_one_to_one():
    base = torch.eye(4)
    assert planted.twins(base, base[[2, 0]]).tolist() == [True, False, True, False]
    assert planted.twins(base[[0, 0, 1]], base[:1]).sum() == 1
    assert not planted.twins(base, -base).any()


def test_a_score_counts_latents_that_fire():
    world = planted.independent(4, 4, active=1.0, span=1.0, generator=number(0))
    sae = saes.TopKSAE(4, 5, k=1, aux=0)
    with torch.no_grad():
        sae.W_dec.copy_(torch.cat([world.directions, world.directions[:1]]))
        sae.W_enc.copy_(sae.W_dec.T)
        sae.b_dec.copy_(world.offset)
        sae.b_enc[0] = -50.0  # the first one is dead, and the last has its direction
    score = planted.recovered(sae, world)
    assert len(score.directions) == 4 and score.found == 4 and score.l0 <= 1


def test_a_parents_latent_that_stays_off_with_a_child_is_seen():
    world = planted.families(2, 2, 12, active=1.0, generator=number(0))
    sae = saes.ReLUSAE(12, 6)
    axes = torch.linalg.pinv(world.directions)  # reads each feature's coefficient
    with torch.no_grad():
        sae.W_dec.copy_(world.directions)
        sae.W_enc.copy_(axes)
        sae.b_dec.copy_(world.offset)
        sae.b_enc.fill_(-0.01)
    whole = planted.parent_fires(sae, world)
    assert whole.alone == whole.with_child == 1 and whole.f1 == pytest.approx(1, abs=0.01)
    with torch.no_grad():  # children switch their parent's latent off
        sae.W_enc[:, :2] -= 5 * (axes[:, 2:].unflatten(1, (2, 2)).sum(-1))
    absorbed = planted.parent_fires(sae, world)
    assert absorbed.alone == 1 and absorbed.with_child == 0


def test_components_are_at_right_angles_and_in_both_signs():
    x = torch.randn(50, 4, generator=seeded(0)) * torch.tensor([3.0, 2.0, 1.0, 0.5])
    found = planted.components(x)
    torch.testing.assert_close(found[:4] @ found[:4].T, torch.eye(4), rtol=0, atol=1e-5)
    assert torch.equal(found[4:], -found[:4])
