"""utils.reading.unsupervised: what can be found without labels."""

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


def test_only_normalising_each_half_hides_what_the_halves_share():
    first, second, truth = pairs()
    first[:, 1:6] += 20
    raw = unsupervised.ccs(first, second, normalise=False, tries=2)
    assert raw.agreement(truth).mean() < 0.75 and raw.loss < 0.01
    assert unsupervised.ccs(first, second, tries=2).agreement(truth).mean() > 0.95


def test_agreement_takes_the_better_sign():
    found = unsupervised.Unsupervised(torch.tensor([1.0, -1, 1]), None)
    assert found.agreement(torch.tensor([0, 1, 1])).tolist() == [1.0, 1.0, 0.0]
