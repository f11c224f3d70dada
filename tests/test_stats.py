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
