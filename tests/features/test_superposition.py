"""Superposition: planted directions give known losses and shapes, and small toys find them."""

import math

import pytest
import torch

from utils.features import superposition as sp


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_features_are_as_dense_as_asked_and_even_between_0_and_1():
    x = sp.sparse_features(torch.tensor([1.0, 0.2]), batch_size=20_000, n=3, generator=seeded())
    assert x.shape == (2, 20_000, 3) and x.min() == 0 and x.max() <= 1
    active = (x > 0).double().mean((1, 2))
    assert active[0] == pytest.approx(1, abs=0.001) and active[1] == pytest.approx(0.2, abs=0.01)
    values = x[1][x[1] > 0]
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert values.std() == pytest.approx(math.sqrt(1 / 12), abs=0.01)


def test_dimensionality_of_known_shapes():
    turns = torch.arange(5) * 2 * math.pi / 5
    pentagon = torch.stack([turns.cos(), turns.sin()], -1)
    digons = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1], [0, 0]])
    found = sp.dimensionality(torch.stack([pentagon, digons]))
    right = torch.tensor([[0.4] * 5, [0.5, 0.5, 0.5, 0.5, 0.0]])
    assert torch.allclose(found, right, atol=1e-6)


def test_the_exact_loss_is_the_paper_and_pencil_one_and_what_samples_give():
    density, importance = torch.tensor([0.8, 0.4]), torch.tensor([0.5, 2.0])
    both = torch.stack([torch.ones(2), importance], -1)
    W, b = torch.tensor([[1.0], [-1]]).expand(2, 2, 1), torch.zeros(2, 2)
    exact = sp.exact_pair_loss(W, b, density, both, grid=100)
    choices = sp.two_in_one_losses(density, importance)
    assert torch.allclose(exact, choices[:, 2], rtol=0.01)
    only = torch.tensor([[1.0], [0]]).expand(2, 2, 1)
    mean = torch.stack([torch.zeros(2), density / 2], -1)
    exact = sp.exact_pair_loss(only, mean, density, both, grid=100)
    assert torch.allclose(exact, choices[:, 0], rtol=0.01)
    x = sp.sparse_features(density, batch_size=200_000, n=2, generator=seeded())
    sampled = sp.weighted_loss(sp.toy_output(x, W, b), x, both)
    assert torch.allclose(sampled, choices[:, 2], rtol=0.03)


def test_trained_toys_share_a_dimension_with_a_relu_and_not_without():
    """Opposite starts, since a weight does not pass through zero: see the lesson."""
    density, importance = torch.full((8,), 0.05), torch.ones(8, 2)
    setting = {"dim": 1, "steps": 400, "keep": [0, 400]}
    toys = sp.train_toys(density, importance, **setting)
    assert toys.kept.shape == (2, 8, 2, 1) and torch.equal(toys.kept[1], toys.W)
    opposite = toys.kept[0][..., 0].prod(-1) < 0
    assert opposite.any() and (toys.W[opposite, :, 0].prod(-1) < 0).all()
    assert sp.kept(toys.W)[opposite].all()
    linear = sp.train_toys(density, importance, **setting, relu=False)
    assert linear.W.square().sum((1, 2)).max() < 1.1
    assert torch.equal(toys.kept[0], linear.kept[0]), "the control starts where the toy starts"
    assert sp.train_toys(density, importance, dim=1, steps=2).kept.shape == (0, 8, 2, 1)


def test_a_toy_in_a_batch_learns_as_it_would_alone():
    """The sum of the losses leaves each toy's gradient its own: one extreme toy changes nothing."""
    start = [torch.randn(2, 3, 2, generator=seeded(1)), torch.zeros(2, 3)]
    x = sp.sparse_features(torch.tensor([0.5, 0.5]), batch_size=64, n=3, generator=seeded(2))

    def loss_of(toys: slice, scale: float):
        weight = torch.tensor([1.0, scale])[toys, None].expand(-1, 3)
        return lambda W, b: sp.weighted_loss(sp.toy_output(x[toys], W, b), x[toys], weight)

    (both, _), _ = sp._descend(start, loss_of(slice(None), 1000.0), steps=20)
    (alone, _), _ = sp._descend([s[:1] for s in start], loss_of(slice(1), 0.0), steps=20)
    assert torch.allclose(both[:1], alone, atol=1e-5)


def test_fixed_directions_stay_fixed():
    directions = torch.nn.functional.normalize(torch.randn(2, 6, 3, generator=seeded()), dim=-1)
    toys = sp.fit_scale_and_bias(directions, torch.tensor([0.5, 0.05]), steps=50)
    cosine = torch.nn.functional.cosine_similarity(toys.W, directions, dim=-1).abs()
    assert cosine.min() > 1 - 1e-5
    assert toys.W.norm(dim=-1).std(1).max() < 1e-5 and toys.b.std(1).max() < 1e-5
    assert toys.b[1, 0] < toys.b[0, 0], "rarer features get a lower bias"


def test_own_lengths_and_biases_leave_the_directions():
    directions = sp.random_units(2, 6, 3, generator=seeded())
    toys = sp.fit_scale_and_bias(directions, torch.tensor([0.5, 0.5]), steps=50, own=True)
    cosine = torch.nn.functional.cosine_similarity(toys.W, directions, dim=-1).abs()
    assert cosine.min() > 1 - 1e-5
    assert toys.W.norm(dim=-1).std(1).min() > 1e-3 and toys.b.std(1).min() > 1e-3


def test_toys_that_answer_the_mean_have_an_error_of_one():
    density = torch.tensor([0.4, 0.4])
    W, b = torch.zeros(2, 3, 2), torch.full((2, 3), 0.2)
    W[1, 0, 0] = W[1, 1, 1] = 1
    b[1, :2] = 0
    toys = sp.Trained(W, b, W[None])
    assert torch.allclose(sp.fresh_errors(toys, density), torch.tensor([1, 1 / 3]), atol=0.01)
    shares = sp.loss_shares(toys, density, torch.tensor([2.0, 1, 1]))
    assert torch.allclose(shares, torch.tensor([1, 1 / 4]), atol=0.02)
    assert sp.kept(W).tolist() == [[False] * 3, [True, True, False]]


def test_relative_error_is_one_for_the_mean_and_zero_for_the_truth():
    x = sp.sparse_features(torch.tensor([0.3]), batch_size=500, n=4, generator=seeded())
    mean = x.mean(1, keepdim=True).expand_as(x)
    assert torch.allclose(sp.relative_error(mean, x), torch.ones(1, 4), atol=1e-5)
    assert sp.relative_error(x, x).max() == 0


def test_reading_is_perfect_for_orthogonal_directions_and_noisy_by_theory_for_random_ones():
    perfect = sp.reading(torch.eye(20), 6, draws=5, generator=seeded())
    assert perfect["right"].min() == 1 and perfect["false alarms"].max() == 0
    units = torch.nn.functional.normalize(torch.randn(2000, 100, generator=seeded()), dim=-1)
    noisy = sp.reading(units, 25, draws=20, generator=seeded(1))
    assert noisy["noise"] == pytest.approx(0.5, rel=0.05)
    assert noisy["false alarms"].shape == (20,)
    assert noisy["false alarms"].mean() == pytest.approx(0.159 * 1975, rel=0.1)


def test_cosines_of_pairs_in_a_cross_and_of_random_directions():
    cross = torch.tensor([[[2.0, 0], [-1, 0], [0, 1], [0, -3]]])
    assert sp.pair_cosines(cross).sort().values.tolist() == [[-1, -1, 0, 0, 0, 0]]
    drawn = torch.randn(1, 500, 20, generator=seeded())
    assert sp.pair_cosines(drawn).square().mean().item() == pytest.approx(1 / 20, rel=0.03)


def test_the_error_of_a_line_and_of_a_gate():
    target = torch.tensor([[0.0, 0, 1, 0.5], [0, 1, 0, 0]])
    assert sp.line_error(3 * target - 1, target) == pytest.approx(0, abs=1e-5)
    noise = torch.tensor([[0.1, 0, 0, 0], [0.3, 0, 0.2, 0.3]])
    reads = torch.where(target > 0, target + 0.35, noise)
    assert sp.line_error(reads, target) > 0.02
    assert sp.line_error(reads, target, gate=True) < 0.001
    assert (
        sp.line_error(sp.random_units(1, 4000, generator=seeded()), torch.arange(4000.0)[None])
        > 0.99
    )


def test_share_near_a_number():
    assert sp.share_near(torch.tensor([0.5, 0.405, 0.45, 0.3]), 0.5, 0.4) == 0.5


def test_pursuit_finds_more_than_one_dot_product():
    directions = sp.random_units(400, 60, generator=seeded())
    once = sp.reading(directions, 8, draws=20, generator=seeded(1))["right"].mean()
    assert once < 0.8 < 0.9 < sp.pursuit(directions, 8, draws=20, generator=seeded(1)).mean()


def test_wiring_and_what_a_lone_feature_reads():
    wiring = sp.random_wiring(30, 40, each=10, generator=seeded())
    assert (wiring.abs().sum(1) == 10).all() and set(wiring.unique().tolist()) == {-1, 0, 1}
    x = torch.eye(30)
    up, down = sp.shared_abs(x, wiring), sp.shared_abs(-x, wiring)
    # Neurons that pass +x and those that pass -x are all of a feature's neurons.
    assert torch.allclose((up + down).diagonal(), torch.full((30,), 2.0))


def test_the_net_for_absolute_values_needs_its_hidden_relu_on_dense_data():
    density = torch.tensor([1.0])
    setting = {"n": 2, "neurons": 6, "steps": 500}
    assert sp.train_abs(density, **setting, relu=True).mean() < 0.3
    assert sp.train_abs(density, **setting, relu=False).mean() > 0.9
