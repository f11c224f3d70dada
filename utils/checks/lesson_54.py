"""Checks of lesson 5.4, in-context geometry."""

from itertools import permutations
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described


class _Walk(NamedTuple):
    """What `utils.cases.walks.Walk` holds, which a check cannot import."""

    tokens: Tensor
    nodes: Tensor
    words: Tensor
    adjacency: Tensor
    reads: Tensor


def _kind_of_walk(function) -> type:
    """The class of walk that a function says it takes, or our own of the same fields."""
    kind = getattr(function, "__annotations__", {}).get("walk")
    return kind if getattr(kind, "_fields", None) == _Walk._fields else _Walk


def _tiny(seed: int) -> TransformerBridge:
    """Three layers, with weights large enough for every hook to matter."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3,
            "n_heads": 2,
            "d_head": 6,
            "d_model": 12,
            "d_mlp": 16,
            "d_vocab": 30,
            "n_ctx": 40,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=random))
    return model.eval()


def _pair(got, what: str) -> tuple:
    expect(
        isinstance(got, (tuple, list)) and len(got) == 2,
        f"Return two things, {what}, not {described(got)}.",
    )
    return tuple(got)


# ---- Tracing ------------------------------------------------------------------------------------

_GRAPHS = (
    [[0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 0]],
    [[0, 1, 1], [1, 0, 0], [1, 1, 0]],
)
_NODES = ([0, 2, 3, 1, 2, 0, 1, 2, 3, 1], [2, 1, 0, 2, 0, 1, 0, 2, 1, 0, 1])


@exercise("utils.cases.walks.trace_walk")
def check_trace_walk(trace_walk) -> str:
    """Two walks on directed graphs, read at uneven places while a hook of the caller is at work."""
    for seed, (layers, last) in enumerate((([2, 0], 7), ([1], 4))):
        model, random = _tiny(seed), torch.Generator().manual_seed(seed)
        nodes = torch.tensor(_NODES[seed])
        graph = torch.tensor(_GRAPHS[seed]).float()
        words = torch.randperm(30, generator=random)[: len(graph)]
        reads = (1 + torch.randint(1, 4, (len(nodes),), generator=random)).cumsum(0)
        tokens = torch.randint(30, (int(reads[-1]) + 3,), generator=random)
        walk = _kind_of_walk(trace_walk)(tokens, nodes, words, graph, reads)
        push = torch.randn(12, generator=random)
        hooks = [("blocks.0.attn.hook_z", lambda z, hook: 0 * z)]
        hooks += [("blocks.0.hook_resid_mid", lambda resid, hook, push=push: resid + push)]
        there = f"blocks.{layers[0]}.hook_resid_pre"  # the caller's change comes first
        hooks += [(there, lambda resid, hook, push=push: resid - 0.5 * push)]

        @torch.no_grad()
        def run(hooks=hooks, kind="pre", model=model, tokens=tokens, layers=layers):
            kept = {}
            keep = [
                (
                    f"blocks.{layer}.hook_resid_{kind}",
                    lambda resid, hook, layer=layer: kept.update({layer: resid[0].clone()}),
                )
                for layer in layers
            ]
            logits = model.run_with_hooks(tokens[None], fwd_hooks=[*hooks, *keep])[0]
            return torch.stack([kept[layer] for layer in layers]), logits

        def early(hooks=hooks, run=run):
            """The streams as they are before the caller's last hook."""
            changed, _ = run()
            changed[0] = run(hooks[:-1])[0][0]
            return changed

        streams, logits = run()
        where = reads[-last:]

        def means(streams, at=where, of=nodes[-last:], words=words):
            rows = streams[:, at]
            return torch.stack([rows[:, of == node].mean(1) for node in range(len(words))], dim=1)

        def mass(logits, at=where, of=nodes[-last:], graph=graph, words=words):
            return (logits[at].softmax(-1)[:, words] * graph[of]).sum(1)

        got, got_mass = _pair(
            trace_walk(model, walk, layers=layers, last=last, hooks=hooks),
            "the means and the probabilities",
        )
        free, free_logits = run(hooks=[])
        steps = torch.arange(len(nodes))
        match(
            got,
            means(streams),
            what="The means",
            mistakes={
                "The caller's `hooks` are not at work: run with them and with yours.": means(free),
                "The streams are read before the caller's hooks change them: give `hooks` first, "
                "and yours after them.": means(early()),
                "All steps are averaged: only the last `last` count.": means(streams, reads, nodes),
                "Step t stands at position `walk.reads[t]`, not at position t.": means(
                    streams, steps[-last:]
                ),
                "You took the last positions of the text: take those in `walk.reads`.": means(
                    streams, torch.arange(len(tokens))[-last:]
                ),
                "You read one position too early.": means(streams, where - 1),
                "That is the stream after the block: layer L is `resid_pre`, before it.": means(
                    run(kind="post")[0]
                ),
                "All layers hold the stream of the same layer. A hook made in a loop sees the "
                "loop's *last* layer: make it in a function of the layer.": means(
                    streams[-1:].expand_as(streams)
                ),
                "The layers are in another order than in `layers`.": means(streams).flip(0),
                "The axes are [layer, node, d_model]; yours are [node, layer, d_model].": means(
                    streams
                ).transpose(0, 1),
                "Means are over the visits to each node: yours are sums.": means(streams)
                * torch.stack([(nodes[-last:] == i).sum() for i in range(len(graph))])[:, None],
                "The streams are sorted by the token's number: sort by node, in the order of "
                "`walk.words`.": means(streams)[:, words.argsort()],
            },
        )
        probs = logits[where].softmax(-1)
        allowed = graph[nodes[-last:]]
        match(
            got_mass,
            mass(logits),
            what="The probabilities",
            mistakes={
                "The caller's `hooks` are not at work in the run that predicts.": mass(free_logits),
                "Probabilities of every step: only the last `last` count.": mass(
                    logits, reads, nodes
                ),
                "Logits are added up: take the softmax first.": (
                    logits[where][:, words] * allowed
                ).sum(1),
                "The softmax is over all tokens, and not over the walk's words alone.": (
                    logits[where][:, words].softmax(-1) * allowed
                ).sum(1),
                "The graph is turned round: rows of `adjacency` are where the walk is.": mass(
                    logits, graph=graph.T
                ),
                "That is one number: give the probability at each step.": mass(logits).mean(),
                "That is the mean over the words that may come next: add them up.": mass(logits)
                / allowed.sum(1),
                "That is the likeliest of the words that may come next: add all of them up.": (
                    probs[:, words] * allowed
                ).amax(1),
                "That is the probability of all words of the walk: those that may come next are "
                "in `walk.adjacency`.": probs[:, words].sum(1),
                "`adjacency` speaks of nodes: their tokens are in `walk.words`.": (
                    probs[:, : len(graph)] * allowed
                ).sum(1),
                "Step t is read at position `walk.reads[t]`, also for the prediction.": mass(
                    logits, steps[-last:]
                ),
                "You read the prediction one position too early.": mass(logits, where - 1),
            },
        )
        alone = _pair(trace_walk(model, walk, layers=layers, last=last), "as with hooks")
        kept = {"A hook of the run before is still at work: use `run_with_hooks`.": means(streams)}
        match(alone[0], means(free), what="The means without `hooks`", mistakes=kept)
    return "Streams before the blocks, and probabilities after the same positions."


# ---- Matching -----------------------------------------------------------------------------------


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    return torch.corrcoef(torch.stack([a.double(), b.double()]))[0, 1]


@exercise("utils.cases.walks.graph_match")
def check_graph_match(graph_match) -> str:
    """Five nodes, whose 120 orders are all tried: every draw has to be one of them."""
    for seed, n in enumerate((40, 60)):
        random = torch.Generator().manual_seed(seed)
        means = torch.randn(5, 3, generator=random) + 1.5
        apart = torch.rand(5, 5, generator=random) + 1
        distances = (apart + apart.T) * (1 - torch.eye(5))
        rows, columns = torch.triu_indices(5, 5, offset=1)
        near = torch.cdist(means, means)
        unit = means / means.norm(dim=1, keepdim=True)
        target = distances[rows, columns]
        got, draws = _pair(
            graph_match(means, distances, n=n, generator=torch.Generator().manual_seed(seed)),
            "the correlation and the correlations of the draws",
        )
        right = _correlation(near[rows, columns], target)
        match(
            got,
            right,
            what="The correlation",
            mistakes={
                "A node with itself is no pair: leave the diagonal out.": _correlation(
                    near.flatten(), distances.flatten()
                ),
                "A node with itself is no pair: `offset=1` leaves the diagonal out.": _correlation(
                    near[tuple(torch.triu_indices(5, 5))],
                    distances[tuple(torch.triu_indices(5, 5))],
                ),
                "Distances are Euclidean, and not squared.": _correlation(
                    near[rows, columns] ** 2, target
                ),
                "Distances are Euclidean: yours come from cosines.": _correlation(
                    1 - (unit @ unit.T)[rows, columns], target
                ),
                "The sign is turned round: distance with distance.": -right,
                "That is a similarity of vectors against a distance: both are distances.": (
                    _correlation((means @ means.T)[rows, columns], target)
                ),
                "That is the correlation's square.": right**2,
                "That is the correlation of ranks: take Pearson's.": _correlation(
                    near[rows, columns].argsort().argsort(), target.argsort().argsort()
                ),
            },
        )
        expect(isinstance(draws, Tensor), f"The draws are a tensor, not {described(draws)}.")
        draws = draws.detach().cpu().double()
        expect(
            draws.shape == (n,),
            f"Give one correlation for each draw, [{n}], not {tuple(draws.shape)}.",
        )
        orders = torch.tensor(list(permutations(range(5))))
        possible = torch.stack(
            [_correlation(near[order][:, order][rows, columns], target) for order in orders]
        )
        miss = (draws[:, None] - possible).abs().amin(1)
        expect(bool(draws.isfinite().all()), "Some draws are not finite.")
        expect(
            bool((draws - right).abs().max() > 1e-6),
            "Every draw gives the same as no permutation. Give the vectors to the nodes in a "
            "random order, and leave the distances of the graph as they are.",
        )
        expect(len(draws.unique()) > 5, "All draws are the same order: draw a new one each time.")
        expect(
            bool((miss < 1e-4).all()),
            "A draw is not a permutation of nodes: no order of the five nodes gives it. Permute "
            "whole rows of `means`, each node once, and never single pairs or numbers.",
        )
        _, others = graph_match(
            means, distances, n=n, generator=torch.Generator().manual_seed(seed + 100)
        )
        expect(
            not torch.equal(torch.as_tensor(others).cpu().double(), draws),
            "Another `generator` gives the same orders: draw with the one that is given.",
        )
        expect(
            len(draws.unique()) > n // 3,
            "The draws hold very few orders: each is a new one out of all.",
        )
    return "Nodes are permuted, and every pair counts once."


# ---- Two distances ------------------------------------------------------------------------------


@exercise("utils.cases.walks.overlap_distances")
def check_overlap_distances(overlap_distances) -> str:
    """Directed graphs whose nodes have unlike numbers of neighbours; the sets are counted."""
    for links in (
        {0: [1, 2, 3], 1: [2], 2: [0, 3], 3: [0, 1, 2, 4], 4: [2, 3]},
        {0: [1, 2], 1: [0, 2, 3], 2: [3], 3: [1, 2]},
    ):
        n = len(links)
        graph = torch.zeros(n, n)
        for source, targets in links.items():
            graph[source, targets] = 1
        after = [set(links[i]) for i in range(n)]
        before = [{i for i in links if j in links[i]} for j in range(n)]

        def table(sets, size, n=n):
            rows = [[len(a & b) / size(a, b) for b in sets] for a in sets]
            return torch.tensor(rows).reshape(n, n)

        def either(a, b):
            return len(a | b)

        sides = _pair(overlap_distances(graph), "by predecessors and by successors")
        both = [1 - table(sets, either) for sets in (before, after)]
        for got, right, other, sets, name in (
            (sides[0], both[0], both[1], before, "predecessors"),
            (sides[1], both[1], both[0], after, "successors"),
        ):
            match(
                got,
                right,
                what=f"The distances by {name}",
                mistakes={
                    "Predecessors and successors have changed places: row i of `adjacency` holds "
                    "where i leads *to*.": other,
                    "That is what two nodes share: a distance is 1 less it.": 1 - right,
                    "You divide by the size of one node's set: divide by the number of nodes in "
                    "one of the two or both.": 1 - table(sets, lambda a, b: len(a)),
                    "You divide by the size of the other node's set: divide by the number of "
                    "nodes in one of the two or both.": 1 - table(sets, lambda a, b: len(b)),
                    "What is common is counted twice in what you divide by.": 1
                    - table(sets, lambda a, b: len(a) + len(b)),
                    "You divide by the larger set: divide by the number of nodes in one of the "
                    "two or both.": 1 - table(sets, lambda a, b: max(len(a), len(b))),
                    "You divide by the smaller set: divide by the number of nodes in one of the "
                    "two or both.": 1 - table(sets, lambda a, b: min(len(a), len(b))),
                    "Not every node has two: divide by the number of nodes in one of the two or "
                    "both.": 1 - table(sets, lambda a, b: 2),
                    "You count nodes: take the share.": table(sets, lambda a, b: 1),
                },
            )
    return "What two nodes share, of all that either has."


# ---- The subspace -------------------------------------------------------------------------------


@exercise("utils.cases.walks.subspace_hooks")
def check_subspace_hooks(subspace_hooks) -> str:
    """Oblique directions of unlike lengths; the projection is worked out by least squares."""
    for seed, (rank, layer, places) in enumerate(((2, 1, [1, 3, 4]), (3, 0, [0, 5]))):
        random = torch.Generator().manual_seed(seed)
        directions = torch.randn(rank, 7, generator=random) * torch.arange(1, rank + 1)[:, None]
        directions[1] += 2 * directions[0]
        centre, resid = (torch.randn(*size, generator=random) for size in ((7,), (2, 6, 7)))
        positions = torch.tensor(places)
        before = resid.clone()
        hooks = subspace_hooks(directions, centre, layer=layer, positions=positions)
        expect(
            isinstance(hooks, (list, tuple)) and len(hooks) == 1 and len(hooks[0]) == 2,
            "Return a list with one pair, (name, hook).",
        )
        name, hook = hooks[0]
        expect(
            name == f"blocks.{layer}.hook_resid_pre",
            f"The stream before block {layer} is `blocks.{layer}.hook_resid_pre`, not {name!r}.",
        )
        expect(callable(hook), "The second of the pair is the hook, a function of (resid, hook).")
        got = hook(resid, None)
        expect(got is not None, "The hook gives nothing back: it has to return the new stream.")
        expect(
            torch.equal(resid, before),
            "The hook changed the stream that it was given: work on `resid.clone()`.",
        )

        def without(project, centre=centre, positions=positions, resid=resid):
            new = resid.clone()
            apart = new[:, positions] - centre
            new[:, positions] = new[:, positions] - project(apart)
            return new

        def onto(x, directions=directions):
            return x @ torch.linalg.pinv(directions) @ directions

        unit = directions / directions.norm(dim=1, keepdim=True)
        everywhere = resid - onto(resid - centre)
        shifted = without(onto)
        shifted[:, positions] -= centre
        zeroed = resid.clone()
        zeroed[:, positions] = centre
        match(
            got,
            without(onto),
            what="The stream",
            mistakes={
                "Nothing has changed.": resid,
                "The directions are not of length 1 and not at right angles, so `x @ d.T @ d` is "
                "no projection: make an orthonormal basis first.": without(
                    lambda x: x @ directions.T @ directions  # noqa: B023
                ),
                "Directions of length 1 are still not at right angles: make an orthonormal "
                "basis first.": without(lambda x: x @ unit.T @ unit),  # noqa: B023
                "The stream's own projection is gone: remove that of its difference from "
                "`centre`.": without(lambda x: onto(x + centre)),  # noqa: B023
                "The centre is missing from the result: subtract the projection alone.": shifted,
                "Every position is ablated: only those in `positions`.": everywhere,
                "Within the subspace all is kept, and the rest is gone: the other way round.": (
                    without(lambda x: x - onto(x))  # noqa: B023
                ),
                "The whole stream is at the centre: only the subspace is ablated.": zeroed,
                "The projection is added: subtract it.": without(lambda x: -onto(x)),  # noqa: B023
            },
        )
    return "Within the subspace all streams are at the centre, and the rest is as it was."


# ---- Twins ---


def _span(directions: Tensor) -> Tensor:
    """The projection onto what rows span."""
    directions = directions.double()
    return torch.linalg.pinv(directions, rtol=1e-4) @ directions


@exercise("utils.cases.walks.twin_split")
def check_twin_split(twin_split) -> str:
    """Eight and six nodes in pairs; any basis of the two spaces is right."""
    for seed, twins in enumerate(([4, 6, 7, 5, 0, 3, 1, 2], [2, 3, 0, 1, 5, 4])):
        random = torch.Generator().manual_seed(seed)
        n = len(twins)
        firsts = [i for i in range(n) if i < twins[i]]
        before = torch.randperm(n, generator=random).reshape(-1, 2)
        graph = torch.zeros(n, n)
        for k, i in enumerate(firsts):
            graph[torch.tensor([i, twins[i]])[:, None], before[k]] = 1
        means = torch.randn(n, 12, generator=random) + 2
        got = _pair(twin_split(means, graph), "what twins share, and how they differ")

        def spaces(pairs, means=means, centre=True):
            middle = torch.stack([(means[i] + means[j]) / 2 for i, j in pairs])
            middle = middle - means.mean(0) if centre else middle
            return middle, torch.stack([means[i] - means[j] for i, j in pairs])

        pairs = [(i, twins[i]) for i in firsts]
        right = spaces(pairs)
        wrong = spaces([tuple(pair) for pair in before.tolist()])
        plain, _ = spaces(pairs, centre=False)
        for each, space, other, wanted, name in (
            (got[0], right[0], right[1], n // 2 - 1, "what twins share"),
            (got[1], right[1], right[0], n // 2, "how they differ"),
        ):
            expect(
                isinstance(each, Tensor) and each.ndim == 2 and each.shape[1] == 12,
                f"For {name}, give directions, [number, d_model], not {described(each)}.",
            )
            directions = each.detach().cpu()
            known = {
                "The two parts have changed places.": _span(other),
                "Twins by successors have equal *rows* of `adjacency`; yours have equal "
                "columns.": _span(wrong[0] if name == "what twins share" else wrong[1]),
                "Subtract the centre of all nodes from the middles: what all words share is "
                "no part of the space.": _span(plain),
                "With one of the uncentred middles left out, subtract the centre first.": _span(
                    plain[:-1]
                ),
                "That is the whole space of the means.": _span(means - means.mean(0)),
                "A direction is missing: only what depends on the others may be left out.": _span(
                    space[: wanted - 1]
                ),
            }
            got_span, right_span = _span(directions), _span(space)
            expect(
                any(torch.allclose(got_span, x, atol=1e-3) for x in (right_span, *known.values())),
                f"For {name}, your directions span another space. Are the pairs those with equal "
                "rows of `adjacency`, and the directions their middles less the centre, and their "
                "differences?",
            )
            match(got_span, right_span, what=f"The space of {name}", mistakes=known)
            expect(
                len(directions) == wanted,
                f"For {name}, give {wanted} independent directions, not {len(directions)}: leave "
                "out what the others give.",
            )
    return "What twins share, and how they differ: together the whole space of the means."


# ---- The investigation --------------------------------------------------------------------------


@investigation("writers", course={(18, 6), (18, 7)})
def check_writers(answer) -> str:
    """Two heads, in any order and container."""
    form = "Give two heads as (layer, head), such as {(18, 0), (18, 1)}."
    answer = answer.tolist() if isinstance(answer, Tensor) else answer
    expect(isinstance(answer, (set, frozenset, tuple, list)) and len(answer) == 2, form)
    heads = set()
    for each in answer:
        expect(
            isinstance(each, (tuple, list))
            and len(each) == 2
            and all(isinstance(x, Integral) for x in each),
            form,
        )
        heads.add((int(each[0]), int(each[1])))
    expect(len(heads) == 2, "Those are the same head twice: give two.")
    expect(
        all(layer == 18 and 0 <= head < 9 for layer, head in heads),
        "The picture is not there before block 18, and is there before block 19: both heads are "
        "among the nine of block 18.",
    )
    right = heads & {(18, 6), (18, 7)}
    expect(
        len(right) != 1,
        "One of them is right. Take the heads of block 18 out one at a time: for which two does "
        "the match fall?",
    )
    expect(len(right) == 2, "Without either of these the match stays as it was.")
    return "Without the two of them nothing of the picture is left at layer 19."
