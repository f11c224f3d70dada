"""data.beliefs.task and utils.reading.beliefs: the paper's processes, and Bayes' rule by paths."""

import itertools

import pytest
import torch

from data.beliefs import make
from data.beliefs import task as beliefs_task
from utils.reading import beliefs, linear, recordings


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
    assert ranks == {"mess3": 3, "clock": 2, "slow_clock": 2}


def test_samples_start_where_they_are_told():
    T = beliefs_task.clock(move=1.0, high=1.0, low=0.0)
    start = torch.eye(3).double()[[2, 0, 1]]
    tokens = beliefs_task.sample_tokens(T, 3, length=3, generator=generator(), start=start)
    assert tokens.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_the_triangle_has_equal_sides():
    corners = beliefs.simplex_xy(torch.eye(3))
    sides = [(corners[i] - corners[j]).norm().item() for i, j in ((0, 1), (1, 2), (0, 2))]
    assert sides == pytest.approx([2 / 3**0.5] * 3, abs=1e-6) and corners[2, 1] == 1


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


def test_pairs_of_tokens_are_products():
    tokens = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 1]])
    found = beliefs.token_pairs(tokens, 3, n_tokens=2)
    right = [[1, 1, 0, 1, 0, 0], [1, 0, 1, 0, 1, 0]]  # three tokens; then 1x2, 1x3, 2x3
    assert found.tolist() == right


def test_the_longer_the_memory_the_smaller_the_excess():
    T = beliefs_task.clock()
    even = {"even": lambda tokens: torch.zeros(*tokens.shape, 2)}
    found = beliefs.excess_by_observer(
        T, even, memories=(1, 3, 8), n=300, length=8, generator=generator()
    )
    assert list(found) == ["even", "last 1 tokens", "last 3 tokens", "last 8 tokens"]
    assert found["even"] > found["last 1 tokens"] > found["last 3 tokens"] > 0.1
    assert found["last 8 tokens"] == pytest.approx(0, abs=1e-6)


def test_in_bins_of_a_prediction_that_says_all_nothing_is_left_to_it():
    p = torch.rand(4000, generator=generator())
    other = torch.randn(4000, generator=generator(1)).double()
    truth = torch.stack([5 * p.double(), other], dim=1)
    from_p = torch.stack([truth[:, 0], torch.zeros(4000).double()], dim=1)
    assert linear.r_squared(from_p, truth) > 0.5
    assert abs(beliefs.r_squared_within(from_p, truth, p, n_bins=40)) < 0.05
    assert beliefs.r_squared_within(truth, truth, p, n_bins=40) == 1


def test_pairs_predict_alike_believe_otherwise_and_go_on_alike():
    T = beliefs_task.slow_clock()
    pairs = beliefs.equal_predictions(T, n=7, length=10, generator=generator())
    both = [beliefs_task.beliefs(each, T) for each in (pairs.rows, pairs.partners)]
    ticks = [beliefs_task.next_token_probs(each, T)[..., 1] for each in both]
    assert pairs.at == 6 and len(pairs.rows) > 10
    assert ((ticks[1] - ticks[0])[:, 6].abs() < 0.01).all()
    assert ((both[1] - both[0])[:, 6].norm(dim=-1) > 0.15).all()
    assert torch.equal(pairs.rows[:, 6:], pairs.partners[:, 6:])
    assert torch.allclose(pairs.ideal, (ticks[1] - ticks[0])[:, 7:])
    starts = [tuple(row[:7]) for row in torch.cat([pairs.rows, pairs.partners]).tolist()]
    assert len(set(starts)) == len(starts), "no beginning is in two pairs"
    assert not set(starts) & {tuple(row[:7]) for row in pairs.others.tolist()}


def small_model():
    return make.new_model(make.TINY, n_tokens=2, seed=0)


def test_the_belief_plane_is_where_the_stream_moves_with_the_belief():
    T, model = beliefs_task.clock(), small_model()
    tokens = beliefs_task.sample_tokens(T, 300, length=5, generator=generator())
    planes = beliefs.belief_planes(model, tokens, T, layer=1)
    assert len(planes) == 5 and planes[3].shape == (16, 2)
    stream = make.residuals(model, tokens)["before block 1"].double()
    belief = beliefs_task.beliefs(tokens, T)[:, -1, :2]
    right = torch.linalg.lstsq(belief - belief.mean(0), stream - stream.mean(0)).solution.T
    assert torch.allclose(planes[4], right, atol=1e-6)


def test_exchanging_the_whole_stream_is_reading_the_partner():
    T, model = beliefs_task.clock(), small_model()
    tokens = beliefs_task.sample_tokens(T, 8, length=6, generator=generator())
    rows, partners = tokens[:4], tokens[4:]
    got = beliefs.exchange(model, rows, partners, lambda difference: difference, layer=1)
    assert torch.allclose(got, model(partners).softmax(-1), atol=1e-5)
    same = beliefs.exchange(model, rows, partners, torch.zeros_like, layer=1)
    assert torch.allclose(same, model(rows).softmax(-1), atol=1e-5)


def test_the_control_is_as_long_as_what_it_stands_beside():
    difference = torch.randn(5, 4, 12, generator=generator())
    planes = {1: torch.randn(12, 2, generator=generator(1))}
    part = beliefs.plane_part(difference, planes)
    control = beliefs.random_part(difference, planes, generator=generator(2))
    assert torch.allclose(part.norm(dim=-1), control.norm(dim=-1), atol=1e-5)
    assert torch.allclose(beliefs.plane_part(part, planes), part, atol=1e-5)


def test_a_direction_that_may_be_forgotten_leaves_the_prediction():
    """A plane that *is* the belief's first two numbers: its columns are changes of belief."""
    for make_process in (beliefs_task.clock, beliefs_task.slow_clock):
        T = make_process()
        found = beliefs.plane_directions(torch.eye(4).double()[:, :2], T)
        moves = {name: each[:, 0] for name, each in found.items()}
        assert found["forgettable"].shape == (4, 1)
        for name, move in moves.items():
            change = torch.stack([move[0], move[1], -move[0] - move[1]])
            moved = (change @ T.sum(-1)[1]).abs() / change.norm()
            assert (moved < 1e-9) == (name == "forgettable")


def test_all_of_a_difference_at_some_positions():
    difference = torch.randn(3, 5, 2, generator=generator())
    found = beliefs.at_positions(difference, [1, 4])
    assert torch.equal(found[:, [1, 4]], difference[:, [1, 4]]) and not found[:, [0, 2, 3]].any()
    with pytest.raises(ValueError, match="holds 5"):
        beliefs.at_positions(difference, range(6))


def test_others_end_with_the_same_token():
    pairs = beliefs.equal_predictions(
        beliefs_task.slow_clock(), n=7, length=10, generator=generator()
    )
    others = beliefs.others_of(pairs)
    assert torch.equal(others[:, pairs.at], pairs.rows[:, pairs.at])
    assert not (others == pairs.rows).all(-1).any()
    assert sorted(others.tolist()) == sorted(pairs.rows.tolist())


def test_the_slope_of_what_follows_by_half_is_a_half():
    ideal = torch.randn(30, 4, generator=generator()).double()
    noise = 0.1 * torch.randn(30, 4, generator=generator(1)).double()
    found = beliefs.follows(ideal / 2 + noise, ideal)
    low, high = found.interval
    assert low < 0.5 < high and found.slope == pytest.approx(0.5, abs=0.05)


def test_rows_of_one_context_lie_on_one_side():
    contexts = torch.randint(2, (60, 3), generator=generator())
    held_out = beliefs.hold_out(contexts, generator=generator(1))
    sides = [{tuple(row) for row in contexts[at].tolist()} for at in (held_out, ~held_out)]
    assert not sides[0] & sides[1] and len(sides[0]) == len(sides[0] | sides[1]) // 2


def test_a_control_in_other_planes_is_as_long():
    difference = torch.randn(5, 4, 12, generator=generator())
    planes, instead = ({1: torch.randn(12, 2, generator=generator(k))} for k in (2, 3))
    control = beliefs.part_as_long(difference, planes, instead=instead)
    part = beliefs.plane_part(difference, planes)
    assert torch.allclose(part.norm(dim=-1), control.norm(dim=-1), atol=1e-5)
    assert torch.allclose(beliefs.plane_part(control, instead), control, atol=1e-5)


def test_by_distance_a_whole_space_is_the_whole_stream():
    """Before block 0 a token is all there is: what is exchanged is the partner's token."""
    T, model = beliefs_task.slow_clock(), small_model()
    pairs = beliefs.equal_predictions(T, n=7, length=9, generator=generator())
    space = dict.fromkeys(range(9), torch.eye(16))
    (found,) = beliefs.follows_by_distance(model, pairs, space, layer=0, distances=[2])
    changes = []
    for t in (7, 8):
        rows = pairs.rows.clone()
        rows[:, t - 2] = pairs.partners[:, t - 2]
        changes.append((model(rows).softmax(-1) - model(pairs.rows).softmax(-1))[:, t, 1])
    right = beliefs.follows(torch.stack(changes, 1).detach().double(), pairs.ideal).slope
    assert float(found) == pytest.approx(right, abs=1e-5) and right != 0
    with pytest.raises(ValueError, match="holds 8"):
        beliefs.follows_by_distance(model, pairs, space, layer=0, distances=[8])


def test_attention_by_distance_of_a_head_that_looks_two_back():
    pattern = torch.zeros(3, 1, 5, 5)
    pattern[:, 0, [0, 1], 0] = 1
    pattern[:, 0, [2, 3, 4], [0, 1, 2]] = 1
    found = beliefs.attention_by_distance(pattern)
    assert found.tolist() == [[pytest.approx(0.2), 0.25, 1.0, 0.0, 0.0]]


def test_recordings_can_be_read_so_often():
    T = beliefs_task.slow_clock()
    tokens = torch.cartesian_prod(*[torch.arange(2)] * 8)
    tokens = tokens[torch.randperm(len(tokens), generator=generator())]
    held = recordings.Recordings({"a": tokens.float()}, tokens, T, budget=2)
    assert held.read("a", 3) == pytest.approx(1, abs=1e-3)
    assert 0.3 < held.read("a", "belief") < 1 and held.left == 0
    with pytest.raises(ValueError, match="No reading is left"):
        held.read("a", 3)
