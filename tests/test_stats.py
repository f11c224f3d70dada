"""utils.stats: intervals and errors."""

import pytest
import torch

from utils import stats


def test_an_exact_interval_has_a_width_where_all_cases_are_alike():
    low, high = stats.share_interval(torch.ones(100).bool())
    assert high == 1 and low == pytest.approx(0.025 ** (1 / 100))  # low ** 100 is 2.5%
    low, high = stats.share_interval([True] * 3 + [False] * 7)
    assert 0.06 < low < 0.07 and 0.65 < high < 0.66  # in any table of Clopper and Pearson
    with pytest.raises(ValueError, match="No cases"):
        stats.share_interval([])


def test_the_interval_covers_and_groups_widen_it():
    random = torch.Generator().manual_seed(0)
    covered = 0
    for seed in range(60):
        low, high = stats.bootstrap(torch.rand(50, generator=random) < 0.7, n=300, seed=seed)
        covered += low <= 0.7 <= high
    assert covered >= 50
    values = torch.tensor([0.0, 1.0] * 20).repeat_interleave(5)
    alone = stats.bootstrap(values)
    whole = stats.bootstrap(values, groups=[i // 5 for i in range(200)])
    assert whole[1] - whole[0] > 1.8 * (alone[1] - alone[0])
    assert stats.bootstrap([1.0, 1.0]) == (1.0, 1.0)
    assert stats.bootstrap(3 * values[1::5], over=4 * values[1::5]) == (0.75, 0.75)
    assert stats.bootstrap(values) == stats.bootstrap(values)
    for values, groups in (([], None), ([1.0], ["a", "b"])):
        with pytest.raises(ValueError, match="a group for each value"):
            stats.bootstrap(values, groups=groups)


def test_the_standard_error_counts_groups_and_not_rows():
    values = torch.tensor([0.0, 1.0] * 8)
    alone = stats.standard_error(values, groups=range(16))
    assert alone == pytest.approx(values.std().item() / 4)
    copied = values.repeat_interleave(5)
    assert stats.standard_error(copied, groups=[i // 5 for i in range(80)]) == pytest.approx(alone)
