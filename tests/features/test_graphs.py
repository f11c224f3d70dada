"""Attribution graphs: exact on their prompt, and what a frozen model would do."""

import pytest
import torch

from tests.small_models import random_model
from utils.features import figures, graphs
from utils.features.transcoders import Transcoder

TOKENS = torch.tensor([[0, 5, 9, 3, 7]])
LAYERS, D = 3, 32
OUTPUT = {"yes": 4, "no": 11}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("model")).requires_grad_(False)


@pytest.fixture(scope="module")
def transcoders():
    made = []
    for layer in range(LAYERS):
        generator = torch.Generator().manual_seed(layer)
        each = Transcoder(D, 20, D, k=4, generator=generator).requires_grad_(False)
        each.W_dec.copy_(0.3 * torch.randn(20, D, generator=generator))
        made.append(each)
    return made


@pytest.fixture(scope="module")
def graph(model, transcoders):
    return graphs.attribution_graph(model, TOKENS, transcoders, **OUTPUT, batch_size=7)


def test_the_linear_run_is_the_model_on_its_own_prompt(model):
    logits, cache = model.run_with_cache(TOKENS)
    writes = [cache[f"blocks.{layer}.hook_mlp_out"] for layer in range(LAYERS)]
    reads, again = graphs.linear_run(
        model, TOKENS, cache, embeddings=cache["hook_embed"], writes=writes
    )
    torch.testing.assert_close(again, logits, atol=1e-4, rtol=1e-4)
    for layer, read in enumerate(reads):
        right = cache[f"blocks.{layer}.mlp.hook_in"]
        torch.testing.assert_close(read, right, atol=1e-4, rtol=1e-4)


def test_what_goes_into_a_node_adds_up(model, transcoders, graph):
    """These transcoders have no biases, and the model has none either."""
    logits = model(TOKENS)[0, -1]
    sums = graph.effects.sum(1)
    torch.testing.assert_close(sums[-1], logits[4] - logits[11], atol=1e-3, rtol=1e-3)
    for node, total in zip(graph.nodes, sums.tolist(), strict=True):
        if node.kind == graphs.FEATURE:
            assert total == pytest.approx(node.activation, abs=1e-3)
    for i in graph.of(graphs.EMBEDDING, graphs.ERROR).nonzero()[:, 0]:
        assert not graph.effects[i].any()


def test_effects_go_forwards_alone(graph):
    layers = torch.tensor([node.layer for node in graph.nodes])
    positions = torch.tensor([node.position for node in graph.nodes])
    back = (layers[:, None] <= layers) | (positions[:, None] < positions)
    assert not graph.effects[back].any()
    assert len(graph.nodes) == 5 + int(graph.of(graphs.FEATURE).sum()) + 15 + 1


def test_influence_and_scores_of_a_graph_by_hand():
    """Embedding 1 -> feature -> output, and an error that gives a quarter of the output."""
    effects = torch.zeros(4, 4)
    effects[1, 0] = -2.0
    effects[3, 1], effects[3, 2] = 3.0, -1.0
    kinds = (graphs.EMBEDDING, graphs.FEATURE, graphs.ERROR, graphs.LOGIT)
    nodes = [graphs.Node(kind, n - 1, 0, 0, 2.0) for n, kind in enumerate(kinds)]
    nodes[-1] = nodes[-1]._replace(activation=1.0)
    made = graphs.AttributionGraph(nodes, effects)
    behind = graphs.influence(effects, torch.tensor([0.0, 0, 0, 1]))
    assert behind.tolist() == pytest.approx([0.75, 0.75, 0.25, 0])
    scores = graphs.graph_scores(made)
    assert scores.replacement == pytest.approx(0.75)
    # the output is .75 complete with weight 1, the feature 1 with .75, sources 1 with 1 together
    assert scores.completeness == pytest.approx((0.75 + 0.75 + 1) / 2.75)
    assert graphs.predicted_change(made, [1], factor=-1.0) == pytest.approx(-6.0)


def test_pruning_keeps_the_fewest():
    scores = torch.tensor([[0.1, 0.5], [0.3, 0.1]])
    assert graphs.pruned(scores, keep=0.8).tolist() == [[False, True], [True, False]]
    assert graphs.pruned(scores, keep=0.5).sum() == 1
    assert graphs.pruned(scores, keep=0.81).sum() == 3
    assert graphs.pruned(scores, keep=1.0).all()


def test_suppressing_nothing_changes_nothing_and_a_feature_something(model, transcoders, graph):
    feature = next(n for n in graph.nodes if n.kind == graphs.FEATURE and n.position == 4)
    same = graphs.actual_change(model, TOKENS, transcoders, [feature], **OUTPUT, factor=1.0)
    gone = graphs.actual_change(model, TOKENS, transcoders, [feature], **OUTPUT)
    assert same == pytest.approx(0, abs=1e-4)
    assert abs(gone) > 1e-3


def test_a_graph_needs_a_transcoder_for_each_block(model, transcoders):
    with pytest.raises(ValueError, match="3 transcoders are needed"):
        graphs.attribution_graph(model, TOKENS, transcoders[:2], **OUTPUT)


def test_the_map_shows_errors(graph):
    every = torch.ones(len(graph.nodes), dtype=torch.bool)
    size = torch.full((len(graph.nodes),), 0.1)
    fig = figures.attribution_map(graph, list("abcde"), size, every, title="t", n_edges=5)
    drawn = {trace.name: len(trace.x) for trace in fig.data if trace.mode == "markers"}
    assert drawn["error"] == 15 and drawn["embedding"] == 5 and drawn["logit"] == 1
    assert sum(trace.mode == "lines" for trace in fig.data) == 5
