"""utils.reading.unsupervised: what can be found without labels, and what cannot be told."""

import torch

from utils.reading import unsupervised
from utils.reading.unsupervised import (
    agreement,
    ccs,
    fit_labelling,
    normalised,
    stretched,
    whiten,
)


def pairs(seed: int = 0, n: int = 100, d: int = 8, size: float = 6.0):
    """Contrast pairs: the true one of each is shifted along the first axis."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.rand(n, generator=random) < 0.5
    first, second = (torch.randn(n, d, generator=random) for _ in range(2))
    first[:, 0] += size * truth
    second[:, 0] += size * ~truth
    return first, second, truth.long()


def start(seed: int = 0, d: int = 8) -> torch.Tensor:
    return torch.randn(d, generator=torch.Generator().manual_seed(seed)) / d**0.5


def test_ccs_finds_what_differs_within_every_pair():
    first, second, truth = pairs()
    first, second = normalised(first), normalised(second)
    runs = [ccs(first, second, start=start(seed)) for seed in range(4)]
    best = min(runs, key=lambda run: run.loss)
    assert agreement(best.belief, truth) > 0.95
    assert best.belief.min() >= 0 and best.belief.max() <= 1 and not best.belief.requires_grad


def test_what_all_first_halves_share_cannot_be_read():
    first, second, truth = pairs()
    found = ccs(normalised(first), normalised(second), start=start())
    shared = ccs(normalised(first + 20), normalised(second), start=start())
    assert torch.allclose(found.belief, shared.belief, atol=1e-3)
    assert shared.belief.gt(0.5).float().mean() < 0.8


def test_any_labels_have_a_low_loss_where_dimensions_are_many():
    random = torch.Generator().manual_seed(0)
    first, second, _ = pairs(n=20, d=100)
    first, second = normalised(first), normalised(second)
    for _ in range(5):
        labels = torch.randint(2, (20,), generator=random)
        direction, loss = fit_labelling(first, second, labels)
        believed = (first - second) @ direction
        assert loss < 1e-4 and agreement(believed + 0.5, labels) == 1.0


def test_few_dimensions_do_not_fit_any_labels():
    first, second, _ = pairs(n=60, d=4, size=0.0)
    labels = torch.arange(60) % 2
    assert fit_labelling(normalised(first), normalised(second), labels)[1] > 0.1


def test_whitening_leaves_no_direction_larger_than_another():
    first, second = (normalised(half) for half in pairs()[:2])
    for k in (3, 8):
        rows = torch.cat(whiten(first, second, k))
        assert torch.allclose(rows.T @ rows / len(rows), torch.eye(k), atol=1e-4)


def test_stretching_multiplies_one_direction_and_leaves_the_rest():
    first, second, _ = pairs()
    v = torch.arange(1.0, 9.0)
    other = torch.linalg.svd(v[None]).Vh[1:].T
    for old, new in zip((first, second), stretched(first, second, v, 3.0), strict=True):
        assert torch.allclose(new @ v, 3 * old @ v, atol=1e-3)
        assert torch.allclose(new @ other, old @ other, atol=1e-4)


def test_agreement_takes_the_better_sign():
    belief, labels = torch.tensor([0.9, 0.2, 0.8]), torch.tensor([0, 1, 1])
    assert 0.6 < agreement(belief, labels) < 0.7 and 0.6 < agreement(1 - belief, labels) < 0.7
    assert unsupervised.agreement(belief, torch.tensor([1, 0, 1])) == 1.0
