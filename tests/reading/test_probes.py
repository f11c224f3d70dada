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


def coins(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(2, (n,), generator=generator(seed))


def test_folds_are_of_whole_groups_and_of_like_size():
    groups = [("pair", i % 7) for i in range(28)]  # neighbours belong to different groups
    fold = probes.folds_of(groups, folds=3)
    assert all(len(set(fold[i::7].tolist())) == 1 for i in range(7))
    assert sorted(fold.unique(return_counts=True)[1].tolist()) == [8, 8, 12]
    assert torch.equal(fold, probes.folds_of(groups, folds=3))
    others = [probes.folds_of(groups, folds=3, generator=generator(seed)) for seed in range(5)]
    assert any(not torch.equal(fold, other) for other in others)


def test_a_sweep_is_right_where_a_layer_tells_and_only_there():
    y, fold = torch.arange(12) % 2, torch.arange(12) // 4 + 5
    told = torch.stack([2.0 * y - 1, torch.ones(12)], dim=1)
    right = probes.layer_sweep(
        torch.stack([told, -told, torch.zeros(12, 2)]), y, fold, fit=probes.mean_difference
    )
    assert right.shape == (3, 12) and right[:2].all()
    assert torch.equal(right[2], 1.0 - y)  # a score of 0 says no


def test_a_sweep_fits_the_other_folds_at_the_same_layer():
    x = torch.randn(2, 9, 3, generator=generator())
    y, fold = torch.arange(9) % 2, torch.tensor([2, 2, 2, 2, 9, 9, 9, 5, 5])
    seen = []

    def fit(rows, labels):
        seen.append((rows, labels))
        return torch.zeros(3), 1.0  # always yes

    assert torch.equal(probes.layer_sweep(x, y, fold, fit=fit), y.float().repeat(2, 1))
    wanted = [(x[layer, fold != held], y[fold != held]) for held in (2, 5, 9) for layer in (0, 1)]
    for rows, labels in wanted:
        assert any(torch.equal(rows, a) and torch.equal(labels, b) for a, b in seen)
    assert len(seen) == 6


def test_cross_validation_sees_a_signal_and_no_signal():
    x, y = planted()
    groups = [i // 4 for i in range(len(y))]
    fit = probes.mean_difference
    assert probes.cross_validated(x, y, groups, fit=fit).mean() > 0.95
    by_coin = coins(50).repeat_interleave(4)
    assert 0.25 < probes.cross_validated(x, by_coin, groups, fit=fit).mean() < 0.75


def test_cross_validation_keeps_groups_whole():
    """Every group has a coordinate of its own that gives its label: no use once it is held out."""
    groups = [i // 2 for i in range(80)]
    y = coins(40, 1).repeat_interleave(2)
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


def test_choices_are_one_a_group_and_a_tie_is_a_half():
    scores, labels = torch.tensor([3.0, 1.0, 2.0, 2.0, 0.0, 1.0]), torch.tensor([1, 0, 1, 0, 1, 0])
    groups = ["b", "b", ("a", 1), ("a", 1), 3, 3]
    assert stats.auc(scores[:4], labels[:4]) == pytest.approx(0.875)
    right = torch.tensor([1.0, 0.5, 0.0])
    assert torch.equal(probes.chooses_right(scores, labels, groups), right)
    both = probes.chooses_right(torch.stack([scores, -scores]), labels, groups)
    assert torch.equal(both, torch.stack([right, 1 - right]))


def test_pairs_have_margins_along_each_direction():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 3.0], [4.0, 3.0]])
    test = probes.Pairs(x, torch.tensor([1, 0, 1, 0]), ["a", "a", "b", "b"])
    across, up = torch.eye(2)
    assert torch.equal(test.margins(across), torch.tensor([1.0, 1.0]))
    assert torch.equal(
        test.margins(torch.stack([-across, up])), torch.tensor([[-1.0, -1.0], [-1.0, 0.0]])
    )


def test_controls_have_learnt_nothing():
    """The probe's margin is far from both; labels turned by pair vary within the pairs alone."""
    x, y = planted(d=40)
    group = torch.arange(len(y)) // 2
    x = x + 5 * torch.randn(len(y) // 2, 40, generator=generator())[group]  # what pairs differ by
    other, labels = planted(d=40, seed=1)
    test = probes.Pairs(other, labels, (torch.arange(len(labels)) // 2).tolist())
    probe = probes.mean_difference(x, y).direction
    random, turned = probes.control_directions(
        x, y, group, fit=probes.mean_difference, n=60, generator=generator()
    )
    assert random.shape == turned.shape == (60, 40)
    assert torch.allclose(random.norm(dim=1), probe.norm().expand(60))
    for control in (random, turned):
        beside = test.margins(control).mean(-1)
        assert beside.abs().max() < test.margins(probe).mean()
    assert turned.norm(dim=1).max() < probe.norm()


def test_both_truth_directions_are_found_without_noise():
    """Each table has as many true rows as false ones, so that its mean is `mu`."""
    labels, negated = torch.arange(16) % 2, (torch.arange(16) // 2 % 3 == 0).long()
    topics = ["a"] * 6 + [("b", 2)] * 10
    tau, p = 2.0 * labels - 1, 1.0 - 2 * negated
    g, q = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, -3.0, 1.0])
    table = 2 * negated + torch.tensor([topic == "a" for topic in topics])
    x = torch.randn(4, 3, generator=generator())[table] + tau[:, None] * g + (tau * p)[:, None] * q
    t_g, t_p = probes.truth_directions(x, labels, negated, topics)
    assert torch.allclose(t_g, g, atol=1e-5) and torch.allclose(t_p, q, atol=1e-5)
    again = probes.truth_directions(x + 7 * negated[:, None], labels, negated, topics)
    assert torch.allclose(torch.stack(again), torch.stack([t_g, t_p]), atol=1e-4)


def test_rows_left_out_show_what_a_probe_reads():
    """One coordinate is the label, another one goes with it in the kept rows only."""
    y, kept = torch.arange(80) % 2, torch.arange(80) // 2 % 2 == 0
    leak = torch.where(kept, y, 1 - y)
    fold = probes.folds_of([i // 4 for i in range(80)])
    for x, right in [
        (torch.stack([2.0 * y - 1, torch.zeros(80)], 1), (1.0, 1.0)),
        (torch.stack([2.0 * leak - 1, torch.zeros(80)], 1), (1.0, 0.0)),
        (torch.stack([2.0 * leak - 1, 0.5 * y], 1), (1.0, 0.0)),
        (torch.stack([0.5 * leak, 2.0 * y - 1], 1), (1.0, 1.0)),
    ]:
        assert probes.kept_and_left_out(x, y, fold, kept, fit=probes.mean_difference) == right


def test_a_row_left_out_is_never_fitted_to():
    y, fold, kept = torch.arange(12) % 2, torch.arange(12) // 4, torch.arange(12) % 3 > 0
    x = torch.arange(12.0)[:, None]

    def fit(rows, labels):
        numbers = rows[:, 0].long()
        assert kept[numbers].all() and len(fold[numbers].unique()) == 2
        assert torch.equal(labels, y[numbers])
        return torch.ones(1), -100.0  # always no

    found = probes.kept_and_left_out(x, y, fold, kept, fit=fit)
    assert found == (0.5, 0.5)


def test_two_layers_read_what_no_direction_does():
    signs = torch.randint(2, (300, 2), generator=generator()) * 2.0 - 1
    x = 50 + torch.tensor([9.0, 0.1]) * (signs + 0.2 * torch.randn(300, 2, generator=generator(1)))
    y = (signs.prod(1) > 0).long()
    scores = probes.fit_mlp(x[:200], y[:200], generator=generator(2))
    found = scores(x[200:])
    assert found.shape == (100,) and not found.requires_grad
    assert ((found > 0) == (y[200:] == 1)).float().mean() > 0.97
    assert probes.logistic(x[:200], y[:200]).accuracy(x[200:], y[200:]) < 0.7
    again = probes.fit_mlp(x[:200], y[:200], generator=generator(2))
    assert torch.equal(again(x[200:]), found)


def test_a_two_layer_probe_takes_a_constant_coordinate():
    x, y = planted(40)
    x[:, 3] = 7.0
    assert probes.fit_mlp(x, y, hidden=4, steps=5, generator=generator())(x).isfinite().all()


def test_exchange_along_moves_one_component_and_leaves_the_rest():
    resid = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    at, partner = torch.tensor([2, 0]), torch.tensor([1, 0])
    out = probes.exchange_along(resid, torch.tensor([0.0, -10.0, 0, 0]), at, partner)
    right = resid.clone()
    right[0, 2, 1], right[1, 0, 1] = resid[1, 0, 1], resid[0, 2, 1]
    assert torch.allclose(out, right)


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
