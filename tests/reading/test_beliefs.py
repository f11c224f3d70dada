"""data.beliefs.task and utils.reading.beliefs: the paper's processes, and Bayes' rule by paths."""

import itertools

import pytest
import torch

from data.beliefs import task as beliefs_task
from utils.reading import beliefs, linear


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mess3_is_the_papers():
    """T(A) = [[ay, bx, bx], [ax, by, bx], [ax, bx, by]] with b = (1-a)/2 and y = 1-2x."""
    a, x = 0.85, 0.05
    b, y = (1 - a) / 2, 1 - 2 * x
    T = beliefs_task.mess3()
    right = torch.tensor([[a * y, b * x, b * x], [a * x, b * y, b * x], [a * x, b * x, b * y]])
    assert torch.allclose(T[0], right.double())
    for token in (1, 2):  # the other two are the same, with the names of the states turned round
        assert torch.allclose(T[token], T[0].roll((token, token), (0, 1)))


@pytest.mark.parametrize("name", beliefs_task.PROCESSES)
def test_a_process_is_one_and_keeps_its_stationary_distribution(name):
    T = beliefs_task.PROCESSES[name]()
    assert (T >= 0).all() and torch.allclose(T.sum((0, 2)), torch.ones(3).double())
    pi = beliefs_task.stationary(T)
    assert torch.allclose(pi @ T.sum(0), pi) and pi.sum() == pytest.approx(1)
    assert torch.allclose(pi, torch.full((3,), 1 / 3).double())


def test_the_stationary_distribution_of_an_uneven_process():
    move = torch.tensor([[0.9, 0.1], [0.3, 0.7]]).double()
    assert torch.allclose(beliefs_task.stationary(move[None]), torch.tensor([0.75, 0.25]).double())


@pytest.mark.parametrize("settings", [{"alpha": 1.2}, {"x": 0.6}])
def test_mess3_refuses_what_is_no_probability(settings):
    with pytest.raises(ValueError, match="between 0 and"):
        beliefs_task.mess3(**settings)


def test_the_clock_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="probabilities"):
        beliefs_task.clock(move=1.1)


@pytest.mark.parametrize("name", beliefs_task.PROCESSES)
def test_beliefs_are_bayes_rule_over_all_hidden_paths(name):
    T, tokens = beliefs_task.PROCESSES[name](), [1, 0, 0, 1]
    weight = torch.zeros(3).double()
    for path in itertools.product(range(3), repeat=5):
        p = 1 / 3
        for step, token in enumerate(tokens):
            p *= T[token, path[step], path[step + 1]].item()
        weight[path[-1]] += p
    found = beliefs_task.beliefs(torch.tensor([tokens]), T)
    assert found.shape == (1, 4, 3)
    assert torch.allclose(found[0, -1], weight / weight.sum())


@pytest.mark.parametrize("name", beliefs_task.PROCESSES)
def test_samples_follow_the_beliefs(name):
    """Among sequences with the same first tokens, the next comes as often as predicted."""
    T = beliefs_task.PROCESSES[name]()
    tokens = beliefs_task.sample_tokens(T, 40_000, length=3, generator=generator())
    same = tokens[(tokens[:, :2] == torch.tensor([1, 0])).all(-1)]
    counted = same[:, 2].bincount(minlength=len(T)) / len(same)
    belief = beliefs_task.beliefs(torch.tensor([[1, 0]]), T)[0, -1]
    expected = beliefs_task.next_token_probs(belief, T)
    assert expected.sum() == pytest.approx(1)
    assert torch.allclose(counted.double(), expected, atol=4 * 0.5 / len(same) ** 0.5)


def test_the_next_token_fixes_the_belief_of_mess3_and_not_of_the_clock():
    """Rank of the map from beliefs to next-token probabilities: 3 states need 3."""
    ranks = {
        n: int(torch.linalg.matrix_rank(make().sum(-1)))
        for n, make in beliefs_task.PROCESSES.items()
    }
    assert ranks == {"mess3": 3, "clock": 2}


def test_the_triangle_has_equal_sides():
    corners = beliefs.simplex_xy(torch.eye(3))
    sides = [(corners[i] - corners[j]).norm().item() for i, j in ((0, 1), (1, 2), (0, 2))]
    assert sides == pytest.approx([2 / 3**0.5] * 3, abs=1e-6) and corners[2, 1] == 1


def test_inside_groups_the_group_means_explain_nothing():
    targets = torch.randn(60, 2, generator=generator()).double()
    group = torch.arange(60) % 3 * 7  # codes need not be 0, 1, 2
    targets += group[:, None]
    means = torch.stack([targets[group == code].mean(0) for code in group])
    assert linear.r_squared(means, targets) > 0.9
    assert beliefs.r_squared_within(means, targets, group) == pytest.approx(0, abs=1e-9)
    assert beliefs.r_squared_within(targets, targets, group) == 1


def test_last_tokens_are_numbered_apart():
    tokens = torch.tensor([[2, 0, 1], [2, 1, 0], [0, 0, 1]])
    assert beliefs.last_tokens(tokens, 1, n_tokens=3).tolist() == [1, 0, 1]
    two = beliefs.last_tokens(tokens, 2, n_tokens=3).tolist()
    assert two == [1, 3, 1]
    assert len(set(beliefs.last_tokens(tokens, 3, n_tokens=3).tolist())) == 3


def test_the_ideal_observer_has_no_excess_loss():
    T = beliefs_task.mess3()
    tokens = beliefs_task.sample_tokens(T, 20, length=5, generator=generator())
    belief = beliefs_task.beliefs(tokens, T)
    best = beliefs_task.next_token_probs(belief, T).log()
    assert torch.allclose(
        beliefs.excess_loss(best, belief, T), torch.zeros(20, 5).double(), atol=1e-9
    )
    even = beliefs.excess_loss(torch.zeros(20, 5, 3), belief, T)
    entropy = -(best.exp() * best).sum(-1)
    assert torch.allclose(even, torch.tensor(3.0).double().log() - entropy)


def test_the_last_tokens_can_be_joined_to_features():
    tokens = torch.tensor([[2, 0, 1], [2, 1, 0], [0, 0, 1]])
    joined = beliefs.join_last_tokens(torch.zeros(3, 4), tokens, 2, n_tokens=3)
    assert joined.shape == (3, 4 + 9) and (joined.sum(-1) == 1).all()
    assert torch.equal(joined[0], joined[2]) and not torch.equal(joined[0], joined[1])


def test_pairs_of_tokens_are_products():
    tokens = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 1]])
    found = beliefs.token_pairs(tokens, 3, n_tokens=2)
    right = [[1, 1, 0, 1, 0, 0], [1, 0, 1, 0, 1, 0]]  # three tokens; then 1x2, 1x3, 2x3
    assert found.tolist() == right


def test_a_probe_that_is_told_the_last_tokens_has_nothing_from_a_short_memory():
    """And the belief itself has everything; noise has about what the tokens told have."""
    T = beliefs_task.clock()
    tokens = beliefs_task.sample_tokens(T, 1500, length=8, generator=generator())
    halves = [tokens[:1000], tokens[1000:]]
    features = {
        f"last {k}": [beliefs_task.remembered(half, k, T) for half in halves] for k in (2, 3, 8)
    }
    one_hot = torch.nn.functional.one_hot
    features["tokens"] = [one_hot(half, len(T)).flatten(1).double() for half in halves]
    features["pairs"] = [beliefs.token_pairs(half, 8, n_tokens=len(T)) for half in halves]
    features["noise"] = [torch.randn(len(h), 4, generator=generator(1)) for h in halves]
    found = beliefs.read_beliefs(features, halves, T)
    assert found["last 8"].r2 > 0.999 and found["last 8"].beyond > 0.999
    for name in ("last 2", "last 3", "noise"):
        assert abs(found[name].beyond) < 0.1, name
    assert found["last 3"].r2 > 0.8 > 0.1 > found["noise"].r2
    assert found["pairs"].beyond > found["tokens"].beyond + 0.1


def test_the_slope_runs_from_the_short_memory_to_the_full_belief():
    short, full = torch.rand(2, 30, 3, generator=generator()).double()
    for share in (0.0, 0.6, 1.0):
        between = short + share * (full - short)
        assert beliefs.slope_beyond(between, full, short) == pytest.approx(share)


def test_the_longer_the_memory_the_smaller_the_excess():
    T = beliefs_task.clock()
    even = {"even": lambda tokens: torch.zeros(*tokens.shape, 2)}
    found = beliefs.excess_by_observer(
        T, even, memories=(1, 3, 8), n=300, length=8, generator=generator()
    )
    assert list(found) == ["even", "last 1 tokens", "last 3 tokens", "last 8 tokens"]
    assert found["even"] > found["last 1 tokens"] > found["last 3 tokens"] > 0.1
    assert found["last 8 tokens"] == pytest.approx(0, abs=1e-6)
