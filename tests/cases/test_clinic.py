"""utils.cases.clinic: toys that are planted, and a quiz whose halves are known."""

import torch

from utils.cases import clinic


def facts(n: int = 40, *, seed: int = 0, turns: bool = True) -> clinic.Facts:
    """Statements whose truth lies along the first axis, and turns round with "not"."""
    random = torch.Generator().manual_seed(seed)
    y, negated = torch.arange(n) % 2, torch.arange(n) >= n // 2
    x = torch.randn(n, 5, generator=random)
    x[:, 0] += 8.0 * (2 * y - 1) * torch.where(negated & turns, -1, 1)
    return clinic.Facts(
        x,
        y,
        [f"s{i // 2}" for i in range(n)],
        [f"n{i}" for i in range(n)],
        [i % 7 < 2 for i in range(n)],
        negated,
    )


def test_labels_of_swaps_come_from_both_inputs():
    pairs = clinic.draw_pairs(200, generator=torch.Generator().manual_seed(1))
    first = pairs.source[:, :3].sum(1) > 0
    assert torch.equal(pairs.label.bool(), first ^ (pairs.base[:, 3:].sum(1) > 0))
    assert 0.3 < (pairs.label == pairs.before).float().mean() < 0.7


def test_the_search_finds_a_variable_that_a_network_uses():
    network, random = clinic.toy(0, learns="rest", steps=300), torch.Generator().manual_seed(0)
    basis = clinic.find_subspace(
        network.low,
        network.high,
        lambda: clinic.draw_pairs(128, generator=random),
        width=64,
        rank=2,
        steps=120,
        lr=0.01,
        generator=torch.Generator().manual_seed(0),
    )
    pairs = clinic.draw_pairs(2000, generator=random)
    assert torch.allclose(basis.T @ basis, torch.eye(2), atol=1e-4)
    assert clinic.interchange_accuracy(network, basis, pairs) > 0.75
    assert clinic.interchange_accuracy(network, 0 * basis, pairs) < 0.6


def test_an_untrained_first_layer_keeps_its_weights():
    one, two = (clinic.toy(3, learns=learns, steps=20) for learns in ("rest", "none"))
    assert torch.equal(one.low[0].weight, two.low[0].weight)
    assert not torch.equal(one.high[0].weight, two.high[0].weight)


def test_facts_are_taken_by_mask():
    some = facts()
    plain = some.take(~some.negated)
    assert len(plain.y) == len(plain.subject) == 20 and not plain.negated.any()


def test_a_direction_that_separates_lies_outside_the_band():
    home, abroad = facts(seed=1, turns=False), facts(seed=2, turns=False)
    gap = clinic.mean_gap(home.x, home.y)
    bands = clinic.direction_band(home, abroad, n=50, generator=torch.Generator().manual_seed(0))
    assert clinic.auc(abroad.x @ gap, abroad.y) > 0.99
    assert all(band.low < 0.5 < band.high for band in bands)


def test_a_rival_that_is_wrong_leaves_the_pairs_to_the_score():
    y, rival = torch.tensor([1, 1, 0, 0]), torch.tensor([3.0, 0.0, 2.0, 1.0])
    assert clinic.auc_against(torch.tensor([0.0, 5.0, 1.0, 9.0]), y, rival) == (0.5, 0.5)


def test_the_quiz_has_as_many_real_results_as_it_measures():
    items = clinic.quiz(*(facts(200, seed=k) for k in range(4)))
    assert len(items) == 8 and all(set(item.controls) == set(clinic.CONTROLS) for item in items)
    sheet = [(item.real, item.decides[-1]) for item in items]
    assert clinic.score_sheet(items, sheet) == (8, 8)
    hidden = items[5]
    assert not hidden.real and abs(hidden.value - 0.5) < 0.1
