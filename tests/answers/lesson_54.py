"""Lesson 5.4: the library's version of each exercise, and plausible wrong answers."""

import torch

# ---- Tracing ------------------------------------------------------------------------------------


def _traced(
    *,
    ours=True,
    kind="pre",
    rows=lambda walk, last: walk.reads[-last:],
    of=lambda walk, last: walk.nodes[-last:],
    layer_of=lambda layer, layers: layer,
    said=lambda logits: logits.softmax(-1),
    graph=lambda adjacency: adjacency,
    follow=lambda p: p.sum(1),
    turn=lambda means: means,
    leave=False,
    ours_first=False,
):
    def trace_walk(model, walk, *, layers, last, hooks=()):
        kept = {}

        def keep(layer):
            return (
                f"blocks.{layer}.hook_resid_{kind}",
                lambda resid, hook: kept.update({layer: resid[0]}),
            )

        mine = [keep(layer) for layer in layers]
        if leave:
            model.add_hook("blocks.0.hook_resid_pre", lambda resid, hook: resid)
        with torch.no_grad():
            logits = model.run_with_hooks(
                walk.tokens[None],
                fwd_hooks=[*mine, *hooks] if ours_first else [*(hooks if ours else ()), *mine],
            )[0]
        places, nodes = rows(walk, last), of(walk, last)
        n = len(walk.words)
        means = torch.stack(
            [
                torch.stack(
                    [kept[layer_of(layer, layers)][places][nodes == i].mean(0) for i in range(n)]
                )
                for layer in layers
            ]
        )
        probs = said(logits)[places][:, walk.words]
        return turn(means), follow(probs * graph(walk.adjacency)[nodes])

    return trace_walk


def _traced_by_cache(model, walk, *, layers, last, hooks=()):
    """With a cache, and a loop over steps."""
    names = [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    with torch.no_grad(), model.hooks(fwd_hooks=list(hooks)):
        logits, cache = model.run_with_cache(walk.tokens[None], names_filter=names)
    means = torch.zeros(len(layers), len(walk.words), cache[names[0]].shape[-1])
    visits, mass = torch.zeros(len(walk.words)), []
    for t in range(len(walk.nodes) - last, len(walk.nodes)):
        node, place = int(walk.nodes[t]), int(walk.reads[t])
        visits[node] += 1
        for k, name in enumerate(names):
            means[k, node] += cache[name][0, place]
        p = torch.softmax(logits[0, place], dim=0)
        followers = walk.adjacency[node].nonzero()[:, 0]
        mass.append(sum(p[walk.words[i]] for i in followers))
    return means / visits[:, None], torch.stack(mass)


def _traced_by_product(model, walk, *, layers, last, hooks=()):
    """One-hot rows and einsum."""
    kept = []
    reading = [
        (f"blocks.{layer}.hook_resid_pre", lambda resid, hook, i=i: kept.append((i, resid[0])))
        for i, layer in enumerate(layers)
    ]
    with torch.no_grad():
        logits = model.run_with_hooks(walk.tokens[None], fwd_hooks=list(hooks) + reading)
    streams = torch.stack([each for _, each in sorted(kept, key=lambda pair: pair[0])])
    places = walk.reads[len(walk.reads) - last :]
    one_hot = torch.eye(len(walk.words))[walk.nodes[len(walk.nodes) - last :]]
    means = torch.einsum("lsd,sn->lnd", streams[:, places], one_hot / one_hot.sum(0))
    probs = logits[0, places].softmax(-1)[:, walk.words]
    return [means, torch.einsum("sn,sm,nm->s", one_hot, probs, walk.adjacency)]


# ---- Matching -----------------------------------------------------------------------------------


def _matched(
    *,
    offset=1,
    apart=torch.cdist,
    value=lambda r: r,
    order=lambda n, generator: torch.randperm(n, generator=generator),
    by_pair=False,
    both=False,
    same=False,
):
    def graph_match(means, distances, *, n, generator):
        i, j = torch.triu_indices(len(means), len(means), offset=offset)

        def r(x, d, order=None):
            a = apart(x, x)[i, j]
            a = a if order is None else a[order]
            return torch.corrcoef(torch.stack([a, d[i, j]]))[0, 1]

        found, once = [], order(len(means), generator)
        for _ in range(n):
            now = once if same else order(len(means), generator)
            if by_pair:
                found.append(r(means, distances, torch.randperm(len(i), generator=generator)))
            else:
                d = distances[now][:, now] if both else distances
                found.append(r(means[now], d))
        return value(r(means, distances)), torch.stack(found)

    return graph_match


def _matched_by_loops(means, distances, *, n, generator):
    """A float, and the graph's labels permuted in place of the vectors'."""
    m = len(means)
    pairs = [(i, j) for i in range(m) for j in range(m) if i != j]
    near = torch.tensor([(means[i] - means[j]).norm() for i, j in pairs])

    def r(order):
        far = torch.tensor([float(distances[order[i], order[j]]) for i, j in pairs])
        x, y = near - near.mean(), far - far.mean()
        return float((x * y).sum() / (x.norm() * y.norm()))

    draws = [r(torch.randperm(m, generator=generator).tolist()) for _ in range(n)]
    return r(list(range(m))), torch.tensor(draws)


# ---- Two distances ------------------------------------------------------------------------------


def _overlap(*, swap=False, similar=False, size=lambda a, b, common: a + b - common):
    def overlap_distances(adjacency):
        def one(sets):
            common = sets @ sets.T
            n = sets.sum(1)
            share = common / size(n[:, None], n[None], common)
            return share if similar else 1 - share

        pair = one(adjacency.T), one(adjacency)
        return pair[::-1] if swap else pair

    return overlap_distances


def _overlap_by_sets(adjacency):
    n = len(adjacency)

    def one(neighbours):
        return torch.tensor(
            [
                [1 - len(neighbours[i] & neighbours[j]) / len(neighbours[i] | neighbours[j])]
                for i in range(n)
                for j in range(n)
            ]
        ).reshape(n, n)

    to = [set(adjacency[i].nonzero()[:, 0].tolist()) for i in range(n)]
    come = [set(adjacency[:, i].nonzero()[:, 0].tolist()) for i in range(n)]
    return [one(come), one(to)]


def _overlap_by_minimum(adjacency):
    def one(sets):
        a, b = sets[:, None], sets[None]
        return 1 - torch.minimum(a, b).sum(-1) / torch.maximum(a, b).sum(-1)

    return one(adjacency.transpose(0, 1)), one(adjacency)


# ---- The subspace -------------------------------------------------------------------------------


def _ablated(
    *,
    basis=lambda directions: torch.linalg.qr(directions.T).Q,
    kind="pre",
    about=lambda x, centre: x - centre,
    rest=lambda apart, projected: projected,
    places=lambda positions: positions,
    back=True,
    copy=True,
    sign=1,
    move=0.0,
):
    def subspace_hooks(directions, centre, *, layer, positions):
        q = basis(directions)

        def hook(resid, hook):
            new = resid.clone() if copy else resid
            at = places(positions)
            apart = about(new[:, at], centre)
            new[:, at] -= sign * rest(apart, apart @ q @ q.T) + move * centre
            return new if back else None

        return [(f"blocks.{layer}.hook_resid_{kind}", hook)]

    return subspace_hooks


def _ablated_by_least_squares(directions, centre, *, layer, positions):
    def hook(resid, hook):
        new = resid.clone()
        for place in positions.tolist():
            for row in range(len(resid)):
                apart = (resid[row, place] - centre)[:, None]
                weights = torch.linalg.lstsq(directions.T, apart).solution
                new[row, place] = resid[row, place] - (directions.T @ weights)[:, 0]
        return new

    return ((f"blocks.{layer}.hook_resid_pre", hook),)


# ---- Twins ----------------------------------------------------------------------------------


def _split(*, of=lambda a: a, centre=True, drop=1, turn=lambda pair: pair, own=lambda x: x):
    def twin_split(means, adjacency):
        rows = of(adjacency)
        pairs = []
        for i, row in enumerate(rows):
            for j in range(i + 1, len(rows)):
                if (row == rows[j]).all():
                    pairs.append((i, j))
        middles = torch.stack([means[[i, j]].mean(0) for i, j in pairs])
        if centre:
            middles = middles - middles.mean(0)
        apart = torch.stack([means[i] - means[j] for i, j in pairs])
        return turn((middles[: len(middles) - drop], own(apart)))

    return twin_split


def _split_by_projection(means, adjacency):
    """The matrix that averages over twins, and an SVD of both parts."""
    same = (adjacency @ adjacency.T == adjacency.sum(1, keepdim=True)).float()
    shared = same @ (means - means.mean(0)) / 2
    own = means - means.mean(0) - shared

    def basis(x):
        _, sizes, rows = torch.linalg.svd(x, full_matrices=False)
        return rows[sizes > 1e-4 * sizes[0]]

    return basis(shared), basis(own)


def _split_by_names(means, adjacency):
    """A dictionary of rows; the first node of each pair less the middle; a list."""
    groups = {}
    for i, row in enumerate(adjacency.tolist()):
        groups.setdefault(tuple(row), []).append(i)
    middles = [means[nodes].mean(0) for nodes in groups.values()]
    own = [means[nodes[0]] - m for nodes, m in zip(groups.values(), middles, strict=True)]
    return [torch.stack([m - means.mean(0) for m in middles[1:]]), torch.stack(own)]


MISTAKES = {
    "trace_walk": [
        ("own hooks first", _traced(ours_first=True), "before the caller's hooks"),
        ("hooks ignored", _traced(ours=False), "`hooks` are not at work"),
        ("all steps", _traced(rows=lambda w, n: w.reads, of=lambda w, n: w.nodes), "All steps"),
        (
            "position t",
            _traced(rows=lambda w, n: torch.arange(len(w.nodes))[-n:]),
            "not at position t",
        ),
        (
            "last positions",
            _traced(rows=lambda w, n: torch.arange(len(w.tokens))[-n:]),
            "last positions of the text",
        ),
        ("one early", _traced(rows=lambda w, n: w.reads[-n:] - 1), "too early"),
        ("after", _traced(kind="post"), "after the block"),
        ("late binding", _traced(layer_of=lambda layer, layers: layers[-1]), "*last* layer"),
        ("axes", _traced(turn=lambda m: m.transpose(0, 1)), "node, layer"),
        ("logits", _traced(said=lambda x: x), "softmax first"),
        ("graph turned", _traced(graph=lambda a: a.T), "turned round"),
        ("one number", _traced(follow=lambda p: p.sum(1).mean()), "each step"),
        ("likeliest", _traced(follow=lambda p: p.amax(1)), "likeliest"),
        ("all words", _traced(graph=torch.ones_like), "all words of the walk"),
        ("a hook left", _traced(leave=True), "a hook stays"),
        ("means alone", lambda *a, **k: _traced()(*a, **k)[0], "two things"),
    ],
    "graph_match": [
        ("diagonal", _matched(offset=0), "no pair"),
        ("squared", _matched(apart=lambda a, b: torch.cdist(a, b) ** 2), "not squared"),
        (
            "cosine",
            _matched(apart=lambda a, b: 1 - torch.cosine_similarity(a[:, None], b[None], dim=-1)),
            "cosines",
        ),
        ("product", _matched(apart=lambda a, b: a @ b.T), "similarity"),
        ("sign", _matched(value=lambda r: -r), "sign"),
        ("square", _matched(value=lambda r: r**2), "square"),
        ("pairs permuted", _matched(by_pair=True), "not a permutation of nodes"),
        ("both permuted", _matched(both=True), "same as no permutation"),
        ("one order", _matched(same=True), "new one each time"),
        (
            "a seed of its own",
            lambda *a, n, generator: _matched()(
                *a, n=n, generator=torch.Generator().manual_seed(1)
            ),
            "Another `generator`",
        ),
        (
            "with repeats",
            _matched(order=lambda n, generator: torch.randint(n, (n,), generator=generator)),
            "not",
        ),
        (
            "the mean of draws",
            lambda *a, **k: (lambda r, d: (r, d.mean()))(*_matched()(*a, **k)),
            "each draw",
        ),
        ("alone", lambda *a, **k: _matched()(*a, **k)[0], "two things"),
    ],
    "overlap_distances": [
        ("swapped", _overlap(swap=True), "changed places"),
        ("similarity", _overlap(similar=True), "1 less"),
        ("first set", _overlap(size=lambda a, b, c: a + 0 * b), "one node's set"),
        ("second set", _overlap(size=lambda a, b, c: b + 0 * a), "other node's set"),
        ("both sizes", _overlap(size=lambda a, b, c: a + b), "twice"),
        ("two", _overlap(size=lambda a, b, c: 2.0), "Not every node has two"),
        ("larger", _overlap(size=lambda a, b, c: torch.maximum(a, b)), "larger set"),
        ("smaller", _overlap(size=lambda a, b, c: torch.minimum(a, b)), "smaller set"),
        ("one alone", lambda adjacency: _overlap()(adjacency)[0], "two things"),
    ],
    "subspace_hooks": [
        ("as they are", _ablated(basis=lambda d: d.T), "no projection"),
        ("unit", _ablated(basis=lambda d: (d / d.norm(dim=1, keepdim=True)).T), "right angles"),
        ("no centre", _ablated(about=lambda x, centre: x), "difference from"),
        ("centre lost", _ablated(move=1.0), "centre is missing"),
        ("everywhere", _ablated(places=lambda p: slice(None)), "Every position"),
        ("the rest", _ablated(rest=lambda a, p: a - p), "other way round"),
        ("all of it", _ablated(rest=lambda a, p: a), "whole stream"),
        ("added", _ablated(sign=-1), "added"),
        ("after", _ablated(kind="post"), "before block"),
        ("nothing returned", _ablated(back=False), "gives nothing back"),
        ("in place", _ablated(copy=False), "clone"),
        ("the hook alone", lambda *a, **k: _ablated()(*a, **k)[0][1], "list with one pair"),
    ],
    "twin_split": [
        ("by predecessors", _split(of=lambda a: a.T), "equal columns"),
        ("no centre", _split(centre=False, drop=0), "Subtract the centre"),
        ("no centre, one left out", _split(centre=False), "subtract the centre first"),
        ("dependent", _split(drop=0), "independent directions"),
        ("two left out", _split(drop=2), "direction is missing"),
        ("swapped", _split(turn=lambda pair: pair[::-1]), "changed places"),
        ("both signs", _split(own=lambda x: torch.cat([x, -x])), "independent directions"),
        ("one part", lambda *a: _split()(*a)[0], "two things"),
    ],
    "writers": [
        ("one right", {(18, 6), (18, 2)}, "One of them is right"),
        ("other heads", {(18, 0), (18, 2)}, "stays as it was"),
        ("other layers", [(17, 4), (18, 6)], "block 18"),
        ("numbers", {6, 7}, "(layer, head)"),
        ("one", {(18, 6)}, "two heads"),
        ("twice", [(18, 6), (18, 6)], "same head twice"),
    ],
}

RIGHT = {
    "trace_walk": [
        ("hooks", _traced()),
        ("a cache and a loop", _traced_by_cache),
        ("einsum", _traced_by_product),
    ],
    "graph_match": [
        ("corrcoef", _matched()),
        ("loops, a float", _matched_by_loops),
        ("a number", _matched(value=float)),
    ],
    "overlap_distances": [
        ("products", _overlap()),
        ("sets", _overlap_by_sets),
        ("minimum and maximum", _overlap_by_minimum),
    ],
    "subspace_hooks": [
        ("qr", _ablated()),
        ("svd", _ablated(basis=lambda d: torch.linalg.svd(d, full_matrices=False).Vh.T)),
        ("least squares in loops", _ablated_by_least_squares),
    ],
    "twin_split": [
        ("pairs", _split()),
        ("projections", _split_by_projection),
        ("a dictionary of rows", _split_by_names),
    ],
    "writers": [
        ("a tensor", torch.tensor([[18, 6], [18, 7]])),
        ("a list", [(18, 7), (18, 6)]),
        ("lists", [[18, 6], [18, 7]]),
    ],
}
