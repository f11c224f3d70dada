"""Planted worlds: what is drawn is what was promised, and the measures find what is there."""

from functools import partial

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


def test_what_a_latent_could_stand_for_in_a_family():
    world = planted.families(3, 4, D, active=1.0, generator=number(0))
    x, coefficients = planted.draw(world, 100_000, generator=number(1))
    parts = planted.family_parts(world)
    assert [len(each) for each in parts.values()] == [3, 3, 12, 12]
    alone = (coefficients[:, :3] > 0).sum(1) == 1  # one family alone, or others add their means
    for i in range(3):
        mean = (x[alone & (coefficients[:, i] > 0)] - world.offset).mean(0)
        torch.testing.assert_close(mean, parts["parent + average child"][i], rtol=0, atol=0.02)
    torch.testing.assert_close(
        parts["parent + one child"][5], world.directions[1] + world.directions[3 + 5]
    )


def test_a_parents_latent_that_leaves_a_child_to_another_is_seen():
    world = planted.families(2, 2, D, active=1.0, generator=number(4))
    sae = _perfect(world)
    counts, fires = planted.families_in_all([sae], [world])
    assert min(fires[case] for case in ("alone", "with a child", "larger", "smaller")) > 0.99
    assert fires["pair"] != fires["pair"], "no latent stands for a pair"
    assert counts["parent"] == 2 and counts["child"] == 4 and sum(counts.values()) == 6
    with torch.no_grad():  # silent where the first of its children is
        sae.W_enc[:, :2] -= 10 * sae.W_enc[:, [2, 4]]
    _, fires = planted.families_in_all([sae], [world])
    assert fires["alone"] > 0.95 and 0.35 < fires["with a child"] < 0.65


def test_a_parents_latent_that_carries_the_surplus_is_seen():
    world = planted.families(2, 2, D, active=1.0, generator=number(4))
    sae = _perfect(world)
    parent, first, second = 0, 2, 3
    with torch.no_grad():  # latents of pairs fire with a child, the parent's where it is larger
        sae.W_dec[[first, second]] += sae.W_dec[parent].clone()
        sae.W_enc[:, parent] -= sae.W_enc[:, first] + sae.W_enc[:, second]
    (alone, *_), (_, *_), (larger, *_), (smaller, *_), pairs = planted.family_fires(
        sae, world, generator=planted.fresh(0)
    ).values()
    assert alone[0] > 0.99 * alone[1] > 0 and larger[0] > 0.99 * larger[1] > 0
    assert smaller[0] == 0 < smaller[1] and len(pairs) == 2
    assert all(hits > 0.99 * n > 0 for hits, n in pairs)


def _perfect(world):
    """An SAE that reads each coefficient; the directions must be linearly independent."""
    sae = saes.ReLUSAE(D, len(world.directions))
    with torch.no_grad():
        sae.W_dec.copy_(world.directions)
        sae.W_enc.copy_(torch.linalg.pinv(world.directions))
        sae.b_enc.fill_(-1e-4)
        sae.b_dec.copy_(world.offset)
    return sae


def test_sizes_of_activations_beside_coefficients():
    world = planted.independent(8, D, active=2.0, span=2.0, generator=number(5))
    sae = _perfect(world)
    assert planted.activation_sizes(sae, world, generator=planted.fresh(0)) == pytest.approx(
        (1, 1), abs=0.01
    )
    with torch.no_grad():
        sae.W_enc *= 0.6
    assert planted.activation_sizes(sae, world, generator=planted.fresh(0)) == pytest.approx(
        (0.6, 1), abs=0.01
    )


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


def test_output_scale_sees_shrinking_and_not_error():
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) + 5
    assert planted.output_scale(x, x.mean(0) + 0.7 * (x - x.mean(0))) == pytest.approx(0.7)
    left_out = torch.where(torch.arange(3) < 2, x, x.mean(0))  # a best guess from two dimensions
    assert planted.output_scale(x, left_out) == pytest.approx(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: saes.ReLUSAE(D, 12, l1=0.1, generator=seeded(1)),
        lambda: saes.TopKSAE(D, 12, k=1, generator=seeded(1)),
    ],
    ids=["relu", "topk"],
)
def test_training_recovers_few_features_and_normal_vectors_do_not_teach_them(make):
    world = planted.independent(8, D, active=1.0, span=2.0, generator=number(5))

    start = planted.recovery(make(), world, generator=planted.fresh(5))
    found = planted.recovery(
        planted.fit(make(), world, number=5, steps=400), world, generator=planted.fresh(5)
    )
    other = planted.recovery(
        planted.fit(make(), world, number=5, steps=400, without_features=True),
        world,
        generator=planted.fresh(5),
    )
    assert found.cosine.mean() > 0.9 > max(start.cosine.mean(), other.cosine.mean())
    assert found.unexplained < 0.5 * other.unexplained


def test_recovery_counts_latents_that_fire_alone():
    world = planted.independent(8, D, active=1.0, span=2.0, generator=number(5))
    sae = saes.ReLUSAE(D, 8)
    with torch.no_grad():
        sae.W_dec.copy_(world.directions)
        sae.W_enc.copy_(world.directions.T)
        sae.b_dec.copy_(world.offset)
        sae.b_enc[2] = -100
    found = planted.recovery(sae, world, generator=planted.fresh(0))
    assert found.dead == pytest.approx(1 / 8) and found.cosine[2] < 0.95
    assert found.cosine[[0, 1, 3]].min() > 0.999
    assert found.recall == pytest.approx(7 / 8)
    with torch.no_grad():
        sae.b_enc[:] = -100
    assert planted.recovery(sae, world, generator=planted.fresh(0)).cosine.tolist() == [0] * 8


def test_recall_by_quarter():
    cosine = torch.tensor([[0.95, 0.99, 0.95, 0.2, 0.1, 0.3, 0.2, 1.0], [0.95, 0.1] + [0.2] * 6])
    assert planted.by_quarter(cosine).tolist() == pytest.approx([0.75, 0.25, 0, 0.25])


def test_several_worlds_are_put_together():
    setting = {"active": 1.0, "span": 2.0}
    worlds = [planted.independent(8, D, **setting, generator=number(i)) for i in range(2)]
    trained = [saes.ReLUSAE(D, 12, generator=seeded(i)) for i in range(2)]
    each = [planted.recovery(trained[i], worlds[i], generator=planted.fresh(i)) for i in range(2)]
    both = planted.recovery_in_all(trained, worlds)
    again = planted.fit_in_all(partial(saes.ReLUSAE, D, 12), worlds, steps=0)
    torch.testing.assert_close(again[1].W_dec, trained[1].W_dec)
    assert both.l0 == pytest.approx((each[0].l0 + each[1].l0) / 2)
    assert both.recalls == pytest.approx([each[0].recall, each[1].recall])
    assert both.recall == pytest.approx(sum(both.recalls) / 2)


def test_the_mean_is_where_b_dec_starts_and_the_units_are_those_of_the_world():
    world = planted.independent(8, D, active=1.0, span=2.0, generator=number(5))
    sae = planted.fit(saes.ReLUSAE(D, 12, generator=seeded(1)), world, number=0, steps=1, lr=0.0)
    mean = planted.draw(world, 10_000, generator=number(20_000_000))[0].mean(0)
    torch.testing.assert_close(sae.b_dec.detach(), mean, rtol=1e-3, atol=1e-3)


def test_vectors_without_features_keep_mean_and_covariance_and_are_normal(monkeypatch):
    seen = []

    def listen(sae, batches, *, steps, **_):
        seen.append(torch.cat([batches(step) for step in range(steps)]))

    monkeypatch.setattr(planted, "train", listen)
    world = planted.independent(8, D, active=1.0, span=2.0, generator=number(5))
    for control in (False, True):
        planted.fit(saes.ReLUSAE(D, 12), world, number=0, steps=80, without_features=control)
    features, normal = seen
    torch.testing.assert_close(normal.mean(0), features.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(normal.T.cov(), features.T.cov(), rtol=0, atol=0.02)

    def tails(x):  # of a normal number the fourth moment is three times the squared second
        x = (x - x.mean(0)) @ torch.linalg.pinv(world.directions)
        return x.pow(4).mean(0) / x.square().mean(0).square()

    assert (tails(normal) - 3).abs().max() < 0.25 and (tails(features) - 3).abs().max() > 0.5


def test_components_are_at_right_angles_and_in_both_signs():
    axes = planted.components(planted.independent(8, D, active=1.0, span=2.0, generator=number(5)))
    torch.testing.assert_close(axes[:D] @ axes[:D].T, torch.eye(D), rtol=0, atol=1e-4)
    torch.testing.assert_close(axes[D:], -axes[:D])
