"""utils.reading.probes: probes on planted data."""

import pytest
import torch

from utils import stats
from utils.reading import probes


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def planted(n: int = 200, d: int = 6, seed: int = 0):
    """Rows around (5, 5, ...), shifted along the first axis by their label."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 5
    y = torch.arange(n) % 2
    x[:, 0] += 4 * y
    return x, y


@pytest.mark.parametrize("fit", [probes.mean_difference, probes.logistic])
def test_a_planted_direction_is_found(fit):
    x, y = planted()
    probe = fit(x, y)
    assert probe.accuracy(x, y) > 0.95
    assert probe.direction.abs().argmax() == 0 and probe.direction[0] > 0
    direction, bias = probe  # it unpacks
    assert torch.allclose(probe.scores(x), x @ direction + bias)
    far = probe.scores(x[:2] + torch.tensor([9.0, 0, 0, 0, 0, 0]))
    assert (far > probe.scores(x[:2])).all()


def test_the_bias_is_what_makes_it_work_far_from_the_origin():
    x, y = planted()
    bare = probes.mean_difference(x, y)._replace(bias=torch.tensor(0.0))
    assert bare.accuracy(x, y) == 0.5


def test_a_constant_coordinate_harms_nothing():
    x, y = planted()
    x[:, 3] = 7.0
    probe = probes.logistic(x, y)
    assert probe.direction.isfinite().all() and probe.direction[3] == 0
    constant = probes.logistic(torch.ones(6, 4), torch.tensor([0, 1] * 3))
    assert constant.scores(torch.ones(2, 4)).isfinite().all()


def test_cross_validation_sees_a_signal_and_no_signal():
    x, y = planted()
    groups = [i // 4 for i in range(len(y))]
    fit = probes.mean_difference
    assert probes.cross_validated(x, y, groups, fit=fit).mean() > 0.95
    coins = probes.control_labels(groups, generator=generator())
    assert 0.25 < probes.cross_validated(x, coins, groups, fit=fit).mean() < 0.75


def test_cross_validation_keeps_groups_whole():
    """Every group has a coordinate of its own that gives its label: no use once it is held out."""
    groups = [i // 2 for i in range(80)]
    y = probes.control_labels(groups, generator=generator(1))
    x = torch.eye(40).repeat_interleave(2, 0) * (2.0 * y[:, None] - 1)
    by_row = probes.cross_validated(x, y, list(range(80)), fit=probes.mean_difference).mean()
    by_group = probes.cross_validated(x, y, groups, fit=probes.mean_difference).mean()
    assert by_row > 0.75 and by_group < 0.65


def test_a_split_is_of_whole_groups():
    groups = list("aabbbcddee")
    out = probes.split_by_group(groups, test=0.4, generator=generator())
    chosen = {g for g, o in zip(groups, out.tolist(), strict=True) if o}
    kept = {g for g, o in zip(groups, out.tolist(), strict=True) if not o}
    assert len(chosen) == 2 and not chosen & kept


def test_auc_and_choices():
    scores, labels = torch.tensor([3.0, 1.0, 2.0, 2.0]), torch.tensor([1, 0, 1, 0])
    assert stats.auc(scores, labels) == pytest.approx(0.875)
    assert probes.choices(scores, labels, list("aabb")) == {"a": 1.0, "b": 0.5}
    with pytest.raises(ValueError, match="two rows of label"):
        probes.choices(scores, torch.tensor([1, 1, 0, 0]), list("aabb"))
    with pytest.raises(ValueError, match="rows of one label"):
        probes.choices(scores[:3], labels[:3], list("aab"))


def test_exchange_along_moves_one_component_and_leaves_the_rest():
    resid = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    at, partner = torch.tensor([2, 0]), torch.tensor([1, 0])
    out = probes.exchange_along(resid, torch.tensor([0.0, -10.0, 0, 0]), at, partner)
    right = resid.clone()
    right[0, 2, 1], right[1, 0, 1] = resid[1, 0, 1], resid[0, 2, 1]
    assert torch.allclose(out, right)


def test_the_interval_of_an_auc_holds_it_and_draws_whole_groups():
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 2
    scores = torch.randn(80, generator=random) + labels
    low, high = probes.auc_interval(scores, labels, range(80))
    assert 0.5 < low < stats.auc(scores, labels) < high < 1
    doubled = [i // 2 for i in range(160)]
    again = probes.auc_interval(scores.repeat_interleave(2), labels.repeat_interleave(2), doubled)
    assert again == pytest.approx((low, high))
    assert probes.auc_interval(1.0 * labels, labels, range(80)) == (1.0, 1.0)


def test_cross_validation_takes_a_plain_pair():
    """What lesson 2.1's own `mean_difference` returns."""
    x, y = planted()
    groups = [i // 4 for i in range(len(y))]

    def pair(x, y):
        direction, bias = probes.mean_difference(x, y)
        return [direction, bias.item()]

    found = (
        probes.cross_validated(x, y, groups, fit=fit) for fit in (pair, probes.mean_difference)
    )
    assert torch.equal(*found)
