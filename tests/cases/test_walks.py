"""utils.cases.walks: graphs, walks and accounts whose answers can be worked out."""

from itertools import pairwise

import pytest
import torch

from tests.small_models import random_model
from utils.cases import walks
from utils.models import load


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("llama"), n_positions=80)


def test_rings_and_grids_have_their_neighbours():
    assert walks.ring(5)[0].tolist() == [0, 1, 0, 0, 1]
    assert walks.grid(2, 3)[1].nonzero()[:, 0].tolist() == [0, 2, 4]
    for graph in (walks.ring(7), walks.grid(4, 4)):
        assert torch.equal(graph, graph.T) and not graph.diagonal().any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [8, 12])
def test_twins_by_successors_are_not_twins_by_predecessors(n, seed):
    graph = walks.twin_graph(n, generator=seeded(seed))
    assert (graph.sum(0) == 2).all() and (graph.sum(1) == 2).all()
    assert not graph.diagonal().any() and walks.hops(graph).isfinite().all()
    before, after = (each == 0 for each in walks.overlap_distances(graph))
    assert (before.sum(1) == 2).all() and (after.sum(1) == 2).all()
    assert torch.equal(before & after, torch.eye(n).bool())


def test_hops_take_the_shorter_way():
    one_way = torch.eye(5).roll(1, 1)  # 0 -> 1 -> 2 -> 3 -> 4 -> 0
    assert walks.hops(one_way)[0].tolist() == [0, 1, 2, 2, 1]
    assert walks.hops(walks.grid(3, 3))[0].tolist() == [0, 1, 2, 1, 2, 3, 2, 3, 4]


def test_overlaps_are_shares_of_either():
    graph = torch.tensor([[0, 1, 1], [0, 0, 1], [1, 1, 0]]).float()
    before, after = walks.overlap_distances(graph)
    assert after[0].tolist() == pytest.approx([0, 0.5, 2 / 3])
    assert before[1].tolist() == pytest.approx([0.5, 0, 2 / 3])


def test_a_walk_stays_on_its_edges_and_is_written_as_it_is(model):
    graph = walks.twin_graph(8, generator=seeded())
    ids = list(range(20, 28))
    walk = walks.write_walk(model, graph, 60, lines=False, seed=3, words=ids)
    assert all(graph[a, b] for a, b in pairwise(walk.nodes.tolist()))
    assert set(walk.nodes[-30:].tolist()) == set(range(8))
    assert torch.equal(walk.tokens[walk.reads], walk.words[walk.nodes]) and len(walk.reads) == 60
    again = walks.write_walk(model, graph, 60, lines=False, seed=3, words=ids)
    assert torch.equal(walk.tokens, again.tokens)


def test_a_line_ends_where_the_next_word_is_predicted():
    model = load()
    walk = walks.write_walk(model, walks.ring(10), 40, seed=0)
    assert model.to_string(walk.tokens[walk.reads]) == "\n" * 40
    assert torch.equal(walk.tokens[walk.reads - 1].cpu(), walk.words[walk.nodes])
    assert {model.to_string(word) for word in walk.words} <= set(walks.WORDS)


def test_a_trace_is_what_a_cache_holds(model):
    walk = walks.write_walk(model, walks.ring(4), 16, lines=False, seed=1, words=[5, 6, 7, 8])
    means, mass = walks.trace_walk(model, walk, layers=[1, 0], last=8)
    with torch.no_grad():
        logits, cache = model.run_with_cache(walk.tokens[None])
    at = [int(walk.reads[t]) for t in range(8, 16) if walk.nodes[t] == 2]
    right = cache["blocks.1.hook_resid_pre"][0, at].mean(0)
    assert torch.allclose(means[0, 2], right, atol=1e-5) and mass.shape == (8,)
    end = logits[0, walk.reads[-1]].softmax(-1)[walk.words]
    assert torch.isclose(mass[-1], (end * walk.adjacency[walk.nodes[-1]]).sum(), atol=1e-6)
    without, _ = walks.trace_walk(
        model, walk, layers=[1], last=8, hooks=walks.zero_hooks([(0, 0), (0, 1)])
    )
    assert not torch.allclose(without[0], means[0])


def test_a_perfect_picture_matches_and_its_permutations_do_not():
    angles = torch.arange(10) * 2 * torch.pi / 10
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    match, draws = walks.graph_match(circle, walks.hops(walks.ring(10)), n=200, generator=seeded())
    assert match > 0.95 and (draws < match).float().mean() > 0.98
    far = walks.hops(walks.grid(4, 4))
    assert (
        abs(
            walks.graph_match(
                torch.randn(16, 9, generator=seeded(1)), far, n=1, generator=seeded()
            )[0]
        )
        < 0.3
    )


@pytest.mark.parametrize("seed", range(3))
def test_accounts_draw_the_ring_and_part_on_twins(seed):
    def matches(graph, kinds):
        nodes = walks.draw_walk(graph, 400, generator=seeded(seed))
        made = walks.accounts(nodes, graph, d=300, last=200, generator=seeded(seed))
        return {
            name: [
                walks.graph_match(means, each, n=1, generator=seeded())[0] for each in kinds(graph)
            ]
            for name, means in made.items()
        }

    on_ring = matches(walks.ring(8), lambda graph: [walks.hops(graph)])
    assert on_ring["word before"][0] > 0.5 < on_ring["words after"][0]
    assert abs(on_ring["word alone"][0]) < 0.4
    on_twins = matches(walks.twin_graph(8, generator=seeded(seed)), walks.overlap_distances)
    before, after = on_twins["word before"], on_twins["words after"]
    assert before[0] > before[1] + 0.2 and after[1] > after[0] + 0.2


def test_an_ablated_subspace_is_gone_and_stays_gone():
    directions, centre = torch.randn(3, 9, generator=seeded()), torch.randn(9, generator=seeded(1))
    ((_, hook),) = walks.subspace_hooks(directions, centre, layer=0, positions=torch.tensor([1, 2]))
    resid = torch.randn(2, 4, 9, generator=seeded(2))
    once = hook(resid, None)
    assert torch.allclose((once[:, 1:3] - centre) @ directions.T, torch.zeros(2, 2, 3), atol=1e-4)
    assert torch.allclose(hook(once, None), once, atol=1e-5)
    assert torch.equal(once[:, [0, 3]], resid[:, [0, 3]])


def test_random_heads_are_no_typical_ones():
    pool = [(layer, head) for layer in range(4) for head in range(4)]
    found = walks.ranked_ablations(
        list, {"a": pool, "b": pool[3:]}, size=2, n_draws=5, pool=pool, generator=seeded()
    )
    assert found["a"] == [pool[:2]] and len(found["random"]) == 5
    assert not any(set(heads) & {*pool[:2], *pool[3:5]} for heads in found["random"])
    assert len({tuple(heads) for heads in found["random"]}) > 1


def test_shared_and_own_directions_of_twins_span_all():
    graph = walks.twin_graph(8, generator=seeded())
    means = torch.randn(8, 20, generator=seeded(1))
    shared, own = walks.twin_split(means, graph)
    assert shared.shape == (3, 20) and own.shape == (4, 20)
    apart = means - means.mean(0)
    both = torch.cat([shared, own])
    assert torch.linalg.matrix_rank(torch.cat([both, apart])) == 7 == torch.linalg.matrix_rank(both)


def test_a_map_has_a_line_for_each_edge():
    graph = walks.ring(5)
    fig = walks.maps(
        {"here": torch.randn(5, 7, generator=seeded())}, graph, list("abcde"), title="t"
    )
    assert sum(trace.mode == "lines" for trace in fig.data) == 5
    assert fig.data[-1].text == tuple("abcde")
