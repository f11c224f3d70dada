"""Edges, against TransformerLens where it has them, and against what must hold anywhere."""

import contextlib
import io
import json
from unittest import mock

import pytest
import torch
from transformer_lens.tools.analysis.attribution_patching import (
    EdgeAttributionConfig,
    attribution_patch,
)
from transformer_lens.tools.analysis.attribution_patching import faithfulness as tl_faithfulness

from data.wired import task as names
from tests.small_models import random_model
from utils.circuits import discovery
from utils.lesson import ROOT
from utils.models import load


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("plain"), n_key_value_heads=4)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("grouped"))


@pytest.fixture(scope="module")
def toy():
    with contextlib.redirect_stdout(io.StringIO()):
        return load("wired/names", device="cpu")


def runs(batch: int = 1, n_pos: int = 6, vocab: int = 40):
    random = torch.Generator().manual_seed(1)
    return [torch.randint(1, vocab, (batch, n_pos), generator=random) for _ in range(2)]


def metric(logits):
    return logits[:, -1, 3] - logits[:, -1, 5]


def by_name(node) -> str:
    """TransformerLens's node, without its position, as a writer or a reader is called here."""
    kind, head = node.kind, f"L{node.layer}H{node.head}"
    return {
        "embed": "embed",
        "attn_head_out": head,
        "mlp_out": f"MLP{node.layer}",
        "mlp_in": f"MLP{node.layer}",
        "logits": "logits",
    }.get(kind) or f"{head}.{kind[0]}"


def edges_of_transformer_lens(model, destination, source):
    config = EdgeAttributionConfig(granularity="edge")
    found = attribution_patch(model, source, destination, lambda x: metric(x).mean(), config)
    summed: dict = {}
    for (writer, reader), score in found.edge_scores.items():
        edge = by_name(writer), by_name(reader)
        summed[edge] = summed.get(edge, 0.0) + score
    return found, summed


def test_edge_attribution_is_transformer_lens_where_that_has_edges(plain):
    destination, source = runs()
    _, theirs = edges_of_transformer_lens(plain, destination, source)
    graph = discovery.graph(plain)
    scores = discovery.edge_attribution(plain, destination, source=source, metric=metric)
    ours = graph.score_of(scores)
    assert ours.keys() == theirs.keys()
    for edge, value in theirs.items():
        assert ours[edge] == pytest.approx(value, rel=1e-3, abs=1e-4), edge
    assert max(abs(value) for value in theirs.values()) > 0.1


def test_edge_attribution_needs_no_gradients_of_weights_and_none_around_it(plain):
    """Frozen weights, and `torch.no_grad()` around it, change nothing."""
    destination, source = runs(batch=2)
    settings = {"source": source, "metric": metric}
    usual = discovery.edge_attribution(plain, destination, **settings)
    weights = list(plain.parameters())
    try:
        for weight in weights:
            weight.requires_grad_(False)
        frozen = discovery.edge_attribution(plain, destination, **settings)
    finally:
        for weight in weights:
            weight.requires_grad_(True)
    with torch.no_grad():
        inside = discovery.edge_attribution(plain, destination, **settings)
        points = discovery.integrated_edges(plain, destination, **settings, steps=2)
    assert torch.equal(usual, frozen) and torch.equal(usual, inside)
    assert not usual.requires_grad and (points - usual).abs().max() > 0.01


@pytest.mark.parametrize("model", ["plain", "grouped"])
def test_one_edge_is_one_of_many(model, request):
    """`patch_edge` between two heads is `patched_edges` of that edge."""
    model = request.getfixturevalue(model)
    destination, source = runs(batch=2)
    shared = "L2KV0.k" in discovery.graph(model).readers
    for into, head in (("q", 3), ("k", 1), ("v", 0)):
        name = f"L2KV{head}" if shared and into != "q" else f"L2H{head}"
        settings = {"source": source, "metric": metric}
        (many,) = discovery.patched_edges(
            model, destination, edge_sets=[[("L0H2", f"{name}.{into}")]], **settings
        )
        one = discovery.patch_edge(
            model, destination, source=source, writer=(0, 2), reader=(2, head), into=into
        )
        assert torch.allclose(metric(one), many, atol=1e-4), into
        assert (many - metric(model(destination))).abs().max() > 1e-3


def test_sets_may_be_masks(grouped):
    destination, source = runs(batch=2)
    graph = discovery.graph(grouped)
    edges = graph.edges()[::3]
    mask = torch.zeros_like(graph.allowed)
    for writer, reader in edges:
        mask[graph.writers.index(writer), graph.readers.index(reader)] = True
    settings = {"source": source, "metric": metric}
    named, masked = discovery.patched_edges(
        grouped, destination, edge_sets=[edges, mask], **settings
    )
    assert torch.equal(named, masked)


def test_runs_that_begin_alike_are_computed_from_where_they_differ(grouped):
    """With a common beginning, the same as without one: kept keys and values change nothing."""
    destination, source = runs(batch=2)
    source[:, :3] = destination[:, :3]
    edges, settings = discovery.graph(grouped).edges()[5::7], {"source": source, "metric": metric}
    (late,) = discovery.patched_edges(grouped, destination, edge_sets=[edges], **settings)
    with mock.patch.object(discovery, "_first", lambda tokens, source: 0):
        (whole,) = discovery.patched_edges(grouped, destination, edge_sets=[edges], **settings)
    assert torch.allclose(late, whole, atol=1e-4)


def test_an_edge_that_is_named_twice_is_patched_once(grouped):
    destination, source = runs(batch=2)
    edge = ("L0H1", "L1KV0.k")
    once, twice, plainly = discovery.patched_edges(
        grouped, destination, source=source, edge_sets=[[edge], [edge, edge], []], metric=metric
    )
    assert torch.equal(once, twice) and not torch.equal(once, plainly)


@pytest.mark.parametrize("model", ["plain", "grouped"])
def test_a_writers_edges_add_up_to_its_node(model, request):
    model = request.getfixturevalue(model)
    destination, source = runs()
    nodes = attribution_patch(model, source, destination, lambda x: metric(x).mean()).node_scores
    theirs: dict = {}
    for node, score in nodes.items():
        theirs[by_name(node)] = theirs.get(by_name(node), 0.0) + score
    ours = discovery.edge_attribution(model, destination, source=source, metric=metric).sum(1)
    for writer, value in zip(discovery.graph(model).writers, ours.tolist(), strict=True):
        assert value == pytest.approx(theirs[writer], rel=1e-3, abs=1e-4), writer


def test_transformer_lens_still_refuses_grouped_attention(grouped):
    """The lesson says so."""
    with pytest.raises(ValueError, match="GQA"):
        edges_of_transformer_lens(grouped, *runs())


def test_exact_patching_is_transformer_lens_where_that_has_edges(plain):
    destination, source = runs()
    graph = discovery.graph(plain)
    random = torch.Generator().manual_seed(3)
    edges = graph.edges()
    chosen = [edges[i] for i in torch.randperm(len(edges), generator=random)[:60]]
    found, _ = edges_of_transformer_lens(plain, source, destination)  # keys, position by position
    kept = [e for e in found.edge_scores if (by_name(e[0]), by_name(e[1])) not in set(chosen)]
    theirs = tl_faithfulness(plain, destination, source, lambda x: metric(x).mean(), kept)
    clean, ours = discovery.patched_edges(
        plain, destination, source=source, edge_sets=[(), chosen], metric=metric
    ).mean(1)
    gap = clean.item() - theirs.corrupt_metric
    assert clean.item() == pytest.approx(theirs.full_metric, abs=1e-4)
    assert ours.item() == pytest.approx(theirs.corrupt_metric + theirs.recovered * gap, abs=1e-3)
    assert abs(ours - clean) > 0.05


@pytest.mark.parametrize("model", ["plain", "grouped", "toy"])
def test_all_edges_patched_are_the_source_run(model, request):
    model = request.getfixturevalue(model)
    vocab = model.cfg.d_vocab
    destination, source = runs(batch=3, n_pos=5, vocab=vocab)
    edges = discovery.graph(model).edges()
    with torch.no_grad():
        plain_run, other = metric(model(destination)), metric(model(source))
    sets = [edges, (), edges]
    for batch_size in (3, 64):
        got = discovery.patched_edges(
            model,
            destination,
            source=source,
            edge_sets=sets,
            metric=metric,
            batch_size=batch_size,
        )
        assert torch.allclose(got, torch.stack([other, plain_run, other]), atol=1e-3)


@pytest.mark.parametrize("model", ["grouped", "toy"])
def test_a_tiny_difference_makes_the_guess_exact(model, request):
    """The guess is first order: patch next to nothing, and it must be right for every edge."""
    model = request.getfixturevalue(model)
    destination, source = runs(batch=2, n_pos=5, vocab=model.cfg.d_vocab)
    graph = discovery.graph(model)
    embed = model.embed.original_component.weight
    kept = embed.detach().clone()
    with torch.no_grad():  # every token nearly alike, in double precision
        model.original_model.double()
        embed = model.embed.original_component.weight
        embed.copy_(embed[3] + 1e-4 * (embed - embed[3]))
    try:
        guess = graph.score_of(
            discovery.edge_attribution(model, destination, source=source, metric=metric)
        )
        sets = [(), *([edge] for edge in graph.edges())]
        exact = discovery.patched_edges(
            model, destination, source=source, edge_sets=sets, metric=metric
        )
        effect, guess = (exact[1:] - exact[0]).mean(1), torch.tensor(list(guess.values()))
        assert (effect - guess).abs().max() < 0.02 * effect.abs().max() > 0
    finally:
        model.original_model.float()
        with torch.no_grad():
            model.embed.original_component.weight.copy_(kept)


def test_more_steps_come_nearer_to_the_whole_difference(toy):
    """Integrated gradients of the embedding add up to the whole change of the metric."""
    destination, source = runs(batch=2, n_pos=5, vocab=toy.cfg.d_vocab)
    with torch.no_grad():
        change = (metric(toy(source)) - metric(toy(destination))).mean().item()
    scores = discovery.integrated_edges(toy, destination, source=source, metric=metric, steps=300)
    assert scores[0].sum().item() == pytest.approx(change, abs=0.02)


def test_the_graph_counts_and_names_its_parts(plain, grouped, toy):
    graph = discovery.graph(toy)
    assert len(graph.writers) == 13 and len(graph.readers) == 37
    assert len(graph.edges()) == 12 + 12 * 5 + 12 * 9 + 13 == int(graph.allowed.sum())
    assert graph.edges()[0] == ("embed", "L0H0.q") and graph.edges()[-1] == ("L2H3", "logits")
    assert ("L0H0", "L0H1.q") not in graph.edges() and ("L2H0", "L1H0.v") not in graph.edges()
    assert "L1H3.k" in discovery.graph(plain).readers
    shared = discovery.graph(grouped)
    assert "L1KV1.k" in shared.readers and "L1H3.q" in shared.readers
    assert "L1H1.k" not in shared.readers
    assert ("L1H0", "MLP1") in shared.edges() and ("MLP1", "MLP1") not in shared.edges()


def test_circuits_of_heads(grouped):
    """Against hooks set by hand: the circuit keeps one head of layer 1."""
    destination, source = runs(batch=2)
    every = [(layer, h) for layer in range(3) for h in range(4)]
    settings = {"source": source, "metric": metric}
    _, there = grouped.run_with_cache(source)
    got = discovery.circuit_values(
        grouped, destination, circuits=[every, [], [(1, 2)]], batch_size=4, **settings
    )
    with torch.no_grad():
        assert torch.allclose(got[0], metric(grouped(destination)), atol=1e-4)
    hooks = [
        (f"blocks.{i}.attn.hook_z", lambda v, hook, i=i: there["z", i].clone()) for i in (0, 2)
    ]

    def only(value, hook):
        out = there["z", 1].clone()
        out[:, :, 2] = value[:, :, 2]
        return out

    with torch.no_grad(), grouped.hooks(fwd_hooks=[*hooks, ("blocks.1.attn.hook_z", only)]):
        by_hand = metric(grouped(destination))
    assert torch.allclose(got[2], by_hand, atol=1e-4) and not torch.allclose(got[1], got[2])
    of = discovery.metric_of_heads(grouped, destination, **settings)
    assert of([(1, 2)]) == of({(1, 2)}) == pytest.approx(by_hand.mean().item(), abs=1e-4)


def test_the_drawing_holds_every_edge_and_tells_kinds_apart():
    from utils.circuits import figures

    kinds = {"found": [("embed", "L0H1.q"), ("L0H1", "logits")], "missed": [("L0H0", "L1H1.v")]}
    fig = figures.circuit_graph(kinds, n_layers=2, n_heads=2, title="t")
    lines = {trace.name: trace for trace in fig.data if trace.mode == "lines"}
    assert {name: trace.x.count(None) for name, trace in lines.items()} == {"found": 2, "missed": 1}
    assert len({trace.line.dash for trace in lines.values()}) == 2
    letters = [t for trace in fig.data if trace.mode != "lines" for t in trace.text]
    assert letters.count("q") == letters.count("v") == 1 and "L1H0" in letters


def test_faithfulness_goes_from_none_to_one_and_keeps_the_highest(toy):
    prompts = names.toy_prompts(every=20)
    the = discovery.graph(toy)
    settings = {"source": prompts.corrupted, "metric": prompts.logit_diff}
    ten = torch.zeros(the.allowed.shape)
    for writer, reader in json.loads((ROOT / "data/wired/wiring.json").read_text())["edges"]:
        ten[the.writers.index(writer), the.readers.index(reader)] = -1.0
    share = discovery.faithfulness(
        toy, prompts.clean, scores=ten, sizes=[0, 10, int(the.allowed.sum())], **settings
    ).mean(1)
    assert share.tolist() == pytest.approx([0, 1, 1], abs=0.05)
    with pytest.raises(ValueError, match="193 edges"):
        discovery.faithfulness(toy, prompts.clean, scores=ten, sizes=[194], **settings)


def test_shuffled_scores_stay_between_their_layers(toy):
    the = discovery.graph(toy)
    scores = torch.rand(the.allowed.shape) * the.allowed
    mixed = discovery.shuffled_scores(the, scores, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(mixed, scores) and not (mixed * ~the.allowed).any()
    writers, readers = slice(5, 9), slice(24, 36)  # what layer 1 writes, what layer 2 reads
    for a, b in ((slice(0, 1), readers), (writers, readers), (writers, slice(36, 37))):
        assert torch.equal(scores[a, b].flatten().sort()[0], mixed[a, b].flatten().sort()[0])


def test_a_missing_gradient_is_named(toy):
    with pytest.raises(ValueError, match="one for each"):
        discovery.read_gradients(toy, {}, {})
    with pytest.raises(ValueError, match="autograd.grad"):
        discovery.read_gradients(toy, {}, dict.fromkeys(discovery.edge_hooks(toy)))
