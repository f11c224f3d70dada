"""Superposition: planted directions give known losses and shapes, and small toys find them."""

import math

import pytest
import torch

from tests.small_models import random_model
from utils.features import superposition as sp


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(density, importance, *, n, seed=0, **how):
    generator = seeded(seed)

    def draw():
        return sp.sparse_features(density, batch_size=128, n=n, generator=generator)

    return sp.train_toys(draw, importance, generator=generator, **how)


def test_features_are_as_dense_as_asked_and_uniform():
    x = sp.sparse_features(torch.tensor([1.0, 0.2]), batch_size=20_000, n=3, generator=seeded())
    assert x.shape == (2, 20_000, 3) and x.min() == 0 and x.max() <= 1
    active = (x > 0).double().mean((1, 2))
    assert active[0] == pytest.approx(1, abs=0.001) and active[1] == pytest.approx(0.2, abs=0.01)
    values = x[1][x[1] > 0]
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert values.std() == pytest.approx(math.sqrt(1 / 12), abs=0.01)


def test_toys_share_a_dimension_with_a_relu_and_not_without():
    density, importance = torch.full((16,), 0.05), torch.ones(2)
    W, b = trained(density, importance, n=2, dim=1, steps=500)
    assert W.shape == (16, 2, 1) and b.shape == (16, 2) and not W.requires_grad
    assert (W[..., 0].prod(-1) < -0.9).sum() >= 4  # opposites; others are stuck
    W, _ = trained(density, importance, n=2, dim=1, steps=500, relu=False)
    assert W.square().sum((1, 2)).max() < 1.1


def test_a_toy_in_a_batch_learns_as_it_would_alone():
    x = sp.sparse_features(torch.tensor([0.5, 0.5]), batch_size=64, n=3, generator=seeded(2))
    importance = torch.tensor([[1.0, 1, 1], [1000, 1000, 1000]])
    both, _ = sp.train_toys(lambda: x, importance, dim=2, steps=20, generator=seeded())
    alone, _ = sp.train_toys(lambda: x[:1], importance[:1], dim=2, steps=20, generator=seeded())
    assert torch.allclose(both[:1], alone, atol=1e-5)


def test_settled_needs_all_later_counts():
    def planted(steps):
        W = torch.zeros(2, 5, 2)
        W[:, : {1: 3, 2: 3, 4: 2, 8: 2}[steps]] = 1
        return W

    assert sp.settled_at(planted, [1, 2, 4, 8], tolerance=0.1) == ([3, 3, 2, 2], 4)
    assert sp.settled_at(planted, [1, 2, 4], tolerance=0.1) == ([3, 3, 2], None)


def test_dimensionality_of_known_shapes():
    turns = torch.arange(5) * 2 * math.pi / 5
    pentagon = torch.stack([turns.cos(), turns.sin()], -1)
    pairs = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1], [0, 0]])
    shapes = {1.0: pentagon, 0.5: pairs}
    D, per_feature = sp.geometry_sweep(
        lambda density: torch.stack([shapes[p] for p in density.tolist()]),
        torch.tensor([1.0, 0.5]),
        toys=2,
    )
    right = torch.tensor([[0.4] * 5, [0.5, 0.5, 0.5, 0.5, 0.0]])
    assert torch.allclose(D, right[:, None].expand(2, 2, 5), atol=1e-6)
    assert torch.allclose(per_feature, torch.tensor([[0.4, 0.4], [0.1, 0.1]]))


def test_turned_directions_keep_their_angles():
    W = torch.randn(4, 2, generator=seeded())
    found = sp.turned(W)
    assert torch.allclose(found @ found.T, W @ W.T, atol=1e-5)
    assert found[0, 0] > 0 and abs(found[0, 1]) < 1e-5 and found[1, 1] >= -1e-3


def test_the_border_is_where_exact_losses_meet():
    importance = torch.tensor([0.3, 1.0, 4.0])
    density = sp.phase_border(importance)
    weight = torch.stack([torch.ones(3), importance], -1)
    opposites = torch.tensor([[1.0], [-1]]).expand(3, 2, 1)
    pair = sp.exact_pair_loss(opposites, torch.zeros(3, 2), density, weight)
    keeps = (importance > 1).long()
    only = torch.eye(2)[keeps][..., None]
    mean = density[:, None] / 2 * (1 - only[..., 0])
    alone = sp.exact_pair_loss(only, mean, density, weight)
    assert torch.allclose(pair, alone, rtol=0.02)


def test_decoding_is_perfect_for_orthogonal_directions_and_linear_error_does_not_depend_on_k():
    decoders = {"as read": lambda r: r, "scaled": lambda r: r * 40}
    found = sp.decode_sweep(torch.eye(20), (1, 5), decoders, draws=4, generator=seeded())
    assert found["as read"] == [0, 0] and found["scaled"] == pytest.approx([0, 0], abs=1e-6)
    units = sp.random_units(800, 40, generator=seeded())
    found = sp.decode_sweep(units, (2, 8, 32), decoders, draws=200, generator=seeded(1))
    assert found["scaled"] == pytest.approx([1 - 40 / 840] * 3, rel=0.03)
    assert found["scaled"] == pytest.approx(found["as read"])


def test_top_contexts_are_the_highest_of_each_text(tmp_path):
    model = random_model("llama", tmp_path)
    tokens = torch.randint(3, 20, (5, 6), generator=seeded())
    values, texts, at = sp.top_contexts(model, tokens, layer=1, neurons=[3, 0], k=2, batch_size=2)
    name = "blocks.1.mlp.hook_post"
    with torch.no_grad():
        acts = model.run_with_cache(tokens, names_filter=[name])[1][name]
    best = acts[:, 1:, [3, 0]].amax(1).topk(2, dim=0)
    assert torch.allclose(values, best.values.T, atol=1e-5) and torch.equal(texts, best.indices.T)
    assert torch.allclose(acts[texts, at, torch.tensor([[3], [0]])], values, atol=1e-5)


def test_likeness_is_the_mean_cosine_of_two():
    vectors = torch.tensor([[[1.0, 0], [2, 0], [0, 1]], [[1, 0], [3, 0], [9, 0]]])
    assert torch.allclose(sp.alike(vectors), torch.tensor([1 / 3, 1.0]))


def test_the_unknown_toy_answers_six_times():
    toy = sp.UnknownToy()
    loner = toy([0, 0, 0, 0, 0, 2.0, 0, 0])
    assert loner[5] == pytest.approx(2, abs=1e-5)
    pair = toy([0, 0, -1.0, 0, 0, 0, 0, 0])
    assert pair[7] == pytest.approx(1, abs=1e-5) and pair[2] == 0
    assert toy.left == 4 and torch.equal((loner > 0.04) & (pair > 0.04), pair == loner)
