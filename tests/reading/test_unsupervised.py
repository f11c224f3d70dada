"""utils.reading.unsupervised: what can be found without labels."""

import pytest
import torch

from utils.reading import unsupervised


def pairs(seed: int = 0, n: int = 100, d: int = 8):
    """Contrast pairs: the true one of each is shifted along the first axis."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.rand(n, generator=random) < 0.5
    first, second = (torch.randn(n, d, generator=random) for _ in range(2))
    first[:, 0] += 6 * truth
    second[:, 0] += 6 * ~truth
    return first, second, truth.long()


def test_ccs_finds_what_differs_within_every_pair():
    first, second, truth = pairs()
    assert unsupervised.ccs(first, second, tries=2).agreement(truth).mean() > 0.95
    assert unsupervised.first_component(first, second).agreement(truth).mean() > 0.95


def test_only_normalising_each_half_hides_what_the_halves_share():
    first, second, truth = pairs()
    first[:, 1:6] += 20
    raw = unsupervised.ccs(first, second, normalise=False, tries=2)
    assert raw.agreement(truth).mean() < 0.75 and raw.loss < 0.01
    assert unsupervised.ccs(first, second, tries=2).agreement(truth).mean() > 0.95


def test_agreement_takes_the_better_sign():
    found = unsupervised.Unsupervised(torch.tensor([1.0, -1, 1]), None)
    assert found.agreement(torch.tensor([0, 1, 1])).tolist() == [1.0, 1.0, 0.0]


def test_contrast_pairs_are_two_rows_of_each_group_in_random_order():
    found = unsupervised.contrast_pairs(list("abcabc" * 1) + list("defghdefgh"), seed=0)
    assert found.shape == (8, 2) and sorted(found.flatten().tolist()) == list(range(16))
    assert found[:3].sort(1).values.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert 0 < (found[:, 0] > found[:, 1]).sum() < 8
    with pytest.raises(ValueError, match="two of each group"):
        unsupervised.contrast_pairs(list("aab"), seed=0)
