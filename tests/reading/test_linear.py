"""Affine maps of least squared error."""

import pytest
import torch

from utils.reading import linear


@pytest.mark.parametrize(("n", "width", "n_targets"), [(40, 3, 2), (5, 20, 2), (40, 3, 1)])
def test_ridge_minimises_what_it_says(n, width, n_targets):
    random = torch.Generator().manual_seed(0)
    sizes = width, n_targets
    x, y = (torch.randn(n, size, generator=random, dtype=torch.float64) for size in sizes)
    penalty = 0.3
    fitted = linear.ridge(x, y, penalty=penalty)
    weights = fitted.weights.clone().requires_grad_()
    bias = fitted.bias.clone().requires_grad_()
    (((x @ weights + bias - y) ** 2).sum() + penalty * (weights**2).sum()).backward()
    assert weights.grad.abs().max() < 1e-9 and bias.grad.abs().max() < 1e-9
    assert torch.equal(fitted(x), x @ fitted.weights + fitted.bias)
    assert fitted(x).shape == y.shape and fitted.weights.shape == sizes


def test_without_a_penalty_an_affine_map_is_found_exactly():
    random = torch.Generator().manual_seed(0)
    x, weights = torch.randn(30, 4, generator=random), torch.randn(4, 3, generator=random)
    fitted = linear.ridge(x, x @ weights + 5)
    assert torch.allclose(fitted.weights, weights.double(), atol=1e-5)
    assert torch.allclose(fitted.bias, torch.full((3,), 5.0, dtype=torch.float64), atol=1e-5)


def test_r_squared_is_over_all_targets_together():
    y = torch.tensor([[0.0, 0], [2, 20]])
    assert linear.r_squared(y, y) == 1
    assert linear.r_squared(y.mean(0).expand(2, 2), y) == 0
    assert linear.r_squared(torch.tensor([[1.0, 0], [1, 20]]), y) == pytest.approx(1 - 2 / 202)
