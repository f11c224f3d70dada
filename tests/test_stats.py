"""utils.stats: intervals and errors."""

import pytest
import torch

from utils import stats


def test_the_interval_covers_and_groups_widen_it():
    random = torch.Generator().manual_seed(0)
    covered = 0
    for seed in range(60):
        low, high = stats.bootstrap(
            torch.rand(50, generator=random) < 0.7,
            n=300,
            generator=torch.Generator().manual_seed(seed),
        )
        covered += low <= 0.7 <= high
    assert covered >= 50
    values = torch.tensor([0.0, 1.0] * 20).repeat_interleave(5)
    alone = stats.bootstrap(values)
    whole = stats.bootstrap(values, groups=[i // 5 for i in range(200)])
    assert whole[1] - whole[0] > 1.8 * (alone[1] - alone[0])
    assert stats.bootstrap([1.0, 1.0]) == (1.0, 1.0)
    assert stats.bootstrap(3 * values[1::5], over=4 * values[1::5]) == (0.75, 0.75)
    assert stats.bootstrap(values) == stats.bootstrap(values)


def test_auc_counts_a_tie_as_half():
    scores, labels = torch.tensor([0.9, 0.5, 0.5, 0.1]), torch.tensor([1, 1, 0, 0])
    assert stats.auc(scores, labels) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize(("n", "width", "n_targets"), [(40, 3, 2), (5, 20, 2), (40, 3, 1)])
def test_ridge_minimises_what_it_says(n, width, n_targets):
    random = torch.Generator().manual_seed(0)
    sizes = width, n_targets
    x, y = (torch.randn(n, size, generator=random, dtype=torch.float64) for size in sizes)
    penalty = 0.3
    fitted = stats.ridge(x, y, penalty=penalty)
    weights = fitted.weights.clone().requires_grad_()
    bias = fitted.bias.clone().requires_grad_()
    (((x @ weights + bias - y) ** 2).sum() + penalty * (weights**2).sum()).backward()
    assert weights.grad.abs().max() < 1e-9 and bias.grad.abs().max() < 1e-9
    assert torch.equal(fitted(x), x @ fitted.weights + fitted.bias)
    assert fitted(x).shape == y.shape and fitted.weights.shape == sizes


def test_without_a_penalty_an_affine_map_is_found_exactly():
    random = torch.Generator().manual_seed(0)
    x, weights = torch.randn(30, 4, generator=random), torch.randn(4, 3, generator=random)
    fitted = stats.ridge(x, x @ weights + 5)
    assert torch.allclose(fitted.weights, weights.double(), atol=1e-5)
    assert torch.allclose(fitted.bias, torch.full((3,), 5.0, dtype=torch.float64), atol=1e-5)


def test_r_squared_is_over_all_targets_together():
    y = torch.tensor([[0.0, 0], [2, 20]])
    assert stats.r_squared(y, y) == 1
    assert stats.r_squared(y.mean(0).expand(2, 2), y) == 0
    assert stats.r_squared(torch.tensor([[1.0, 0], [1, 20]]), y) == pytest.approx(1 - 2 / 202)


def test_a_bootstrap_draws_in_parts_and_the_same(monkeypatch):
    """3.1 GB for 200,000 values, once."""
    values, drawn, whole = torch.arange(30_000).double().sin(), [], torch.randint

    def counted(top, size, **settings):
        drawn.append(size[0] * size[1])
        return whole(top, size, **settings)

    generator = torch.Generator().manual_seed(0)
    at_once = values[whole(len(values), (100, len(values)), generator=generator)].mean(1)
    monkeypatch.setattr(torch, "randint", counted)
    found = stats.bootstrap(values, n=100)
    assert len(drawn) > 2 and max(drawn) < 2**21
    assert found == pytest.approx(stats.percentiles(at_once), abs=1e-12)
