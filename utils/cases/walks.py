"""Walks on a graph whose nodes are words: what a model makes of the graph, and what else would.

Layer L is `blocks.L.hook_resid_pre`, the residual stream before block L. An adjacency matrix has
1 where the walk may step from the row's node to the column's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go
import torch
from jaxtyping import Float, Int
from plotly.subplots import make_subplots
from torch import Tensor

from utils.guards import (
    Guard,
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    floating,
    guarded,
)
from utils.heads import Head
from utils.plots import styled

# Each is one token of SmolLM2's, with a space before it and without. Most are Arditi's (2026).
_WORDS = "apple bird car egg house milk plane box sand sun rock math code phone tree door"
WORDS = tuple(_WORDS.split())

# ---- Graphs and walks ---------------------------------------------------------------------------


@guarded(n=count(low=3))
def ring(n: int) -> Float[Tensor, "node node"]:
    """A circle of `n` nodes: from each to the one before it and the one after it."""
    return sum(torch.eye(n).roll(step, 1) for step in (1, -1))


@guarded(rows=count(low=2), columns=count(low=2))
def grid(rows: int, columns: int) -> Float[Tensor, "node node"]:
    """A grid, row by row: steps up, down, left and right."""
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    return ((place[:, None] - place[None]).abs().sum(-1) == 1).float()


def _even(n: int, _: Mapping) -> str | None:
    return None if n % 2 == 0 and n >= 8 else f"is {n}: give an even number of nodes, 8 or more"


@guarded(n=_even)
def twin_graph(n: int, *, generator: torch.Generator) -> Float[Tensor, "node node"]:
    """A directed graph in which twins by successors are not twins by predecessors.

    Each node has two successors, which it shares with one other node, and two predecessors, which
    it shares with another one. No node leads to itself, and a walk can get from any to any.
    """
    while True:
        pairs = [torch.randperm(n, generator=generator).reshape(-1, 2) for _ in range(2)]
        graph = torch.zeros(n, n)
        for source, target in zip(*pairs, strict=True):
            graph[source[:, None], target] = 1
        within = torch.linalg.matrix_power(torch.eye(n) + graph, n) > 0
        both = (graph @ graph.T == 2) & (graph.T @ graph == 2)
        if within.all() and not graph.diagonal().any() and int(both.sum()) == n:
            return graph


@guarded(adjacency=(axes(2), filled))
def hops(adjacency: Float[Tensor, "node node"]) -> Float[Tensor, "node node"]:
    """How many steps lead from one node to another, the shorter way."""
    n = len(adjacency)
    found, reached = torch.full((n, n), float("inf")), torch.eye(n)
    for step in range(n):
        found = torch.where((reached > 0) & found.isinf(), float(step), found)
        reached = reached @ adjacency
    return torch.minimum(found, found.T)


@guarded(adjacency=(axes(2), filled), n=count())
def draw_walk(
    adjacency: Float[Tensor, "node node"], n: int, *, generator: torch.Generator
) -> Int[Tensor, " step"]:
    """A random walk of `n` nodes; each step goes to a random successor."""
    at = int(torch.randint(len(adjacency), (1,), generator=generator))
    nodes = [at]
    while len(nodes) < n:
        at = int(torch.multinomial(adjacency[at], 1, generator=generator))
        nodes.append(at)
    return torch.tensor(nodes)


class Walk(NamedTuple):
    """A walk as a model reads it.

    Attributes:
        tokens: what the model reads, BOS first.
        nodes: where the walk is at each step.
        words: the token of each node.
        adjacency: of the graph.
        reads: for each step the position after which the next word is predicted.
    """

    tokens: Int[Tensor, " pos"]
    nodes: Int[Tensor, " step"]
    words: Int[Tensor, " node"]
    adjacency: Float[Tensor, "node node"]
    reads: Int[Tensor, " step"]


def _one_token(model, text: str) -> int:
    ids = model.to_tokens(text, prepend_bos=False)[0].tolist()
    if len(ids) != 1:
        raise ValueError(
            f"{text!r} is {len(ids)} tokens of this model, and a walk needs words and line breaks "
            "of one: give the ids of other `words`, or `lines=False`."
        )
    return ids[0]


@guarded(adjacency=(axes(2), filled), n=count())
def write_walk(
    model,
    adjacency: Float[Tensor, "node node"],
    n: int,
    *,
    lines: bool = True,
    seed: int,
    words: Sequence[int] | None = None,
) -> Walk:
    """A random walk of `n` steps, written down. Its second half visits every node.

    Args:
        lines: a word a line, so that the next word is predicted after the line break. Otherwise
            words follow each other after spaces, as in the published experiments.
        words: the tokens of the nodes; by default words of `WORDS`, drawn anew.
    """
    if n < 2 * len(adjacency):
        raise ValueError(f"A walk of {n} steps is too short: give at least {2 * len(adjacency)}.")
    generator = torch.Generator().manual_seed(seed)
    if words is None:
        texts = [WORDS[i] for i in torch.randperm(len(WORDS), generator=generator)]
        texts = [text if lines else f" {text}" for text in texts[: len(adjacency)]]
        words = [_one_token(model, text) for text in texts]
    words = torch.as_tensor(words)
    nodes = draw_walk(adjacency, n, generator=generator)
    while len(nodes[-(n // 2) :].unique()) < len(adjacency):
        nodes = draw_walk(adjacency, n, generator=generator)
    rows = words[nodes][:, None]
    if lines:
        rows = torch.cat([rows, torch.full_like(rows, _one_token(model, "\n"))], dim=1)
    tokens = torch.cat([torch.tensor([model.tokenizer.bos_token_id]), rows.flatten()])
    reads = torch.arange(1, n + 1) * rows.shape[1]
    return Walk(tokens.to(model.cfg.device), nodes, words, adjacency, reads)


# ---- What a model makes of it -------------------------------------------------------------------


def blocks_of(model: str = "model") -> Guard:
    """Blocks of the model that is another argument."""

    def guard(values: Sequence[int], given: Mapping) -> str | None:
        n = given[model].cfg.n_layers
        fit = all(0 <= value < n for value in values)
        return None if fit else f"has layers 0 to {n - 1} only"

    return guard


@guarded(model=evaluating, layers=(filled, blocks_of()), last=count())
def trace_walk(
    model, walk: Walk, *, layers: Sequence[int], last: int, hooks: Sequence[tuple] = ()
) -> tuple[Float[Tensor, "layer node d_model"], Float[Tensor, " step"]]:
    """The mean stream of each node, and how well the next word is predicted.

    One run of `walk.tokens`. Step t stands at position `walk.reads[t]`, where the next word is
    predicted. Only the last `last` steps count; the walk is at every node in them.

    Args:
        layers: L stands for the stream before block L.
        hooks: pairs (name, hook) at work during the run, such as ablations; what they change is
            what is read.

    Returns:
        For each layer and node the mean stream over the steps at which the walk is there; and for
        each step the probability of the words that may come next, added up.

    Source: Park et al. (arXiv 2501.00070), who average over the last 50 to 200 tokens.
    """
    streams = {}

    def keep(layer):
        def hook(resid, hook):
            streams[layer] = resid[0, walk.reads[-last:]]

        return hook

    reading = [(f"blocks.{layer}.hook_resid_pre", keep(layer)) for layer in layers]
    with torch.no_grad():
        logits = model.run_with_hooks(walk.tokens[None], fwd_hooks=[*hooks, *reading])
    nodes = walk.nodes[-last:]
    means = [
        torch.stack([streams[layer][nodes == node].mean(0) for node in range(len(walk.words))])
        for layer in layers
    ]
    probs = logits[0, walk.reads[-last:]].softmax(-1)[:, walk.words]
    mass = (probs * walk.adjacency[nodes].to(probs.device)).sum(1)
    return torch.stack(means), mass


@guarded(means=(axes(2), finite), distances=(axes(2), as_long_as("means")), n=count())
def graph_match(
    means: Float[Tensor, "node d_model"],
    distances: Float[Tensor, "node node"],
    *,
    n: int,
    generator: torch.Generator,
) -> tuple[float, Float[Tensor, " draw"]]:
    """How well distances between vectors follow distances in a graph, and what chance gives.

    The correlation (Pearson's) over all pairs of two different nodes, each pair once, between the
    Euclidean distance of their vectors and their distance in the graph. For each of `n` draws the
    vectors are given to the nodes in a random order.

    Returns:
        The correlation, and the correlations of the draws.

    Source: the permutation test of Mantel (1967).
    """

    def match(vectors):
        apart = torch.cdist(vectors, vectors)[pairs[0], pairs[1]]
        return torch.corrcoef(torch.stack([apart, distances[pairs[0], pairs[1]]]))[0, 1]

    pairs = torch.triu_indices(len(means), len(means), offset=1)
    orders = [torch.randperm(len(means), generator=generator) for _ in range(n)]
    return match(means).item(), torch.stack([match(means[order]) for order in orders])


@guarded(adjacency=(axes(2), filled))
def overlap_distances(
    adjacency: Float[Tensor, "node node"],
) -> tuple[Float[Tensor, "node node"], Float[Tensor, "node node"]]:
    """How little two nodes share of where a walk comes from, and of where it goes to.

    The distance by predecessors is 1 less the share of common ones: common predecessors of both
    nodes over all nodes that lead to one of them or both (0 for two nodes with the same). The
    distance by successors is the same for where the nodes lead to.

    Returns:
        By predecessors, by successors.
    """

    def apart(sets):
        common = sets @ sets.T
        sizes = sets.sum(1)
        return 1 - common / (sizes[:, None] + sizes[None] - common)

    return apart(adjacency.T), apart(adjacency)


# ---- What else would draw the graph -------------------------------------------------------------


@guarded(nodes=filled, last=count(), d=count())
def accounts(
    nodes: Int[Tensor, " step"],
    adjacency: Float[Tensor, "node node"],
    *,
    d: int,
    last: int,
    generator: torch.Generator,
) -> dict[str, Float[Tensor, "node d"]]:
    """Mean vectors of the nodes of a walk under five accounts, each made of random vectors alone.

    Each word is a random vector. At a step stands that vector alone (`word alone`); with that of
    the word before it (`word before`, what a previous-token head would add); with the mean of
    the words that may follow (`words after`); with that mean in random directions of their own
    (`words after, elsewhere`, as where a model writes what to say and not what it read); or with
    the mean of the last ten words (`recent words`).

    Source: `word before` is neighbour mixing (Arditi, 2026), along a walk.
    """
    vectors = torch.randn(len(adjacency), d, generator=generator)
    own = vectors[nodes]
    next_ones = adjacency / adjacency.sum(1, keepdim=True) @ vectors
    said = torch.randn(len(adjacency), d, generator=generator)
    elsewhere = adjacency / adjacency.sum(1, keepdim=True) @ said
    recent = torch.stack([own[max(0, t - 9) : t + 1].mean(0) for t in range(len(nodes))])
    before = torch.cat([own[:1], own[:-1]])
    states = {
        "word alone": own,
        "word before": own + before,
        "words after": own + next_ones[nodes],
        "words after, elsewhere": own + elsewhere[nodes],
        "recent words": own + recent,
    }
    where = nodes[-last:]
    return {
        name: torch.stack([state[-last:][where == i].mean(0) for i in range(len(adjacency))])
        for name, state in states.items()
    }


# ---- Interventions ------------------------------------------------------------------------------


def zero_hooks(heads: Sequence[Head]) -> list[tuple[str, Callable]]:
    """Pairs (name, hook) that put 0 in the place of the output `z` of each of `heads`."""
    layers: dict[int, list[int]] = {}
    for layer, head in heads:
        layers.setdefault(int(layer), []).append(int(head))

    def zero(numbers):
        def hook(z, hook):
            z = z.clone()
            z[:, :, numbers] = 0
            return z

        return hook

    return [(f"blocks.{i}.attn.hook_z", zero(numbers)) for i, numbers in layers.items()]


@guarded(rankings=filled, size=count(), n_draws=count(low=0))
def ranked_ablations(
    run: Callable[[list[Head]], object],
    rankings: Mapping[str, Sequence[Head]],
    *,
    size: int,
    n_draws: int,
    pool: Sequence[Head],
    generator: torch.Generator,
) -> dict[str, list]:
    """What `run` gives without the first heads of each ranking, and without random heads.

    Random heads are drawn from `pool`, each draw without repeats, and never among the first heads
    of any ranking.

    Args:
        run: takes the heads to ablate, and measures.
        rankings: from a kind's name to its heads, the most typical first.
        size: how many heads to ablate at a time.
        n_draws: how many draws of random heads.

    Returns:
        Kind -> what `run` gave: one result for a ranking, and `n_draws` results under "random".

    Raises:
        ValueError: too few heads are left to draw from.

    Source: Arditi (2026), for previous-token and induction heads.
    """
    out = {kind: [run(list(heads[:size]))] for kind, heads in rankings.items()}
    typical = {head for heads in rankings.values() for head in heads[:size]}
    others = [head for head in pool if head not in typical]
    if len(others) < size:
        raise ValueError(f"`pool` leaves {len(others)} heads to draw {size} from: give more.")
    orders = (torch.randperm(len(others), generator=generator) for _ in range(n_draws))
    out["random"] = [run([others[i] for i in order[:size].tolist()]) for order in orders]
    return out


@guarded(directions=(axes(2), floating, finite), centre=(axes(1), finite))
def subspace_hooks(
    directions: Float[Tensor, "rank d_model"],
    centre: Float[Tensor, " d_model"],
    *,
    layer: int,
    positions: Int[Tensor, " step"],
) -> list[tuple[str, Callable]]:
    """One pair (name, hook) that ablates a subspace of the stream before block `layer`.

    At `positions`, the stream's difference from `centre` loses its projection onto the space that
    `directions` span; the rest of it, and other positions, stay as they are.

    Args:
        directions: any basis of the subspace: independent, of any length, at any angles.
        centre: the point that all streams are moved to within the subspace.
    """
    basis = torch.linalg.qr(directions.T).Q

    def hook(resid, hook):
        resid = resid.clone()
        apart = resid[:, positions] - centre
        resid[:, positions] -= apart @ basis @ basis.T
        return resid

    return [(f"blocks.{layer}.hook_resid_pre", hook)]


@guarded(means=(axes(2), finite), adjacency=(axes(2), as_long_as("means")))
def twin_split(
    means: Float[Tensor, "node d_model"], adjacency: Float[Tensor, "node node"]
) -> tuple[Float[Tensor, "_ d_model"], Float[Tensor, "pair d_model"]]:
    """Split the space of the nodes' means: what twins by successors share, and how they differ.

    Twins are two nodes whose rows of `adjacency` are equal; every node has one twin.

    Returns:
        Independent directions that span what pairs share: the middles of the pairs, less the
        centre of all nodes. They sum to 0, so leave one of them out. And for each pair its
        difference.
    """
    n = len(means)
    pairs = [
        (i, j) for i in range(n) for j in range(i + 1, n) if torch.equal(adjacency[i], adjacency[j])
    ]
    middles = torch.stack([(means[i] + means[j]) / 2 for i, j in pairs])
    apart = torch.stack([means[i] - means[j] for i, j in pairs])
    return (middles - means.mean(0))[:-1], apart


# ---- Figures ------------------------------------------------------------------------------------


def plane(means: Float[Tensor, "node d_model"]) -> Float[Tensor, "node 2"]:
    """The first two principal components of the nodes' mean vectors."""
    centred = means - means.mean(0)
    return centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T


@guarded(panels=filled)
def maps(
    panels: Mapping[str, Float[Tensor, "node d_model"]],
    adjacency: Float[Tensor, "node node"],
    names: Sequence[str],
    *,
    title: str,
) -> go.Figure:
    """The nodes' mean vectors in the plane of their two components, with the graph's edges.

    Args:
        panels: from what stands over a panel to the mean vectors.
        names: of the nodes.
    """
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.04)
    edges = adjacency.triu() + adjacency.tril().T
    for column, means in enumerate(panels.values(), 1):
        spots = plane(means.cpu()).tolist()
        for i, j in edges.nonzero().tolist():
            ends = list(zip(spots[i], spots[j], strict=True))
            line = {"color": "#bbbbbb", "width": 1.5}
            fig.add_scatter(
                x=ends[0], y=ends[1], mode="lines", line=line, hoverinfo="skip", row=1, col=column
            )
        fig.add_scatter(
            x=[x for x, _ in spots],
            y=[y for _, y in spots],
            text=list(names),
            mode="markers+text",
            textposition="top center",
            marker={"size": 10, "color": list(range(len(names))), "colorscale": "HSV"},
            cliponaxis=False,
            row=1,
            col=column,
        )
    fig = styled(fig, title, height=420).update_layout(showlegend=False)
    return fig.update_xaxes(showticklabels=False).update_yaxes(showticklabels=False)
