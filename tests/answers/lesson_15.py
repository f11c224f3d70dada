"""Lesson 1.5: the library's version of each exercise, and plausible wrong answers."""

import torch

from utils.circuits import discovery
from utils.circuits.discovery import edge_hooks, graph, head_reads, read_gradients, written

# ---- One edge -----------------------------------------------------------------------------------


def _edge(
    *,
    change=lambda own, other: other - own,
    reads=lambda stream, change: stream + change,
    who=lambda writer, reader, into: (writer, reader, into),
    put=lambda value, new, head: _put(value, new, head),
    runs=lambda tokens, source: (tokens, source),
):
    def patch_edge(model, tokens, *, source, writer, reader, into):
        tokens, source = runs(tokens, source)
        (layer, head), (to, at), into = who(writer, reader, into)
        z, stream = f"blocks.{layer}.attn.hook_z", f"blocks.{to}.ln1.hook_in"
        with torch.no_grad():
            _, own = model.run_with_cache(tokens, names_filter=[z, stream])
            _, other = model.run_with_cache(source, names_filter=[z])
            W_O = model.blocks[layer].attn.W_O[head]
            moved = change(own[z][:, :, head] @ W_O, other[z][:, :, head] @ W_O)
            new = head_reads(model, (to, at), into, reads(own[stream], moved))
            hook = (f"blocks.{to}.attn.hook_{into}", lambda v, hook: put(v, new, at))
            return model.run_with_hooks(tokens, fwd_hooks=[hook])

    return patch_edge


def _put(value, new, head):
    value = value.clone()
    value[:, :, head] = new
    return value


def _put_everywhere(value, new, head):
    return new[:, :, None].expand_as(value)


def _other_stream(model, tokens, *, source, writer, reader, into):
    stream = f"blocks.{reader[0]}.ln1.hook_in"
    with torch.no_grad():
        _, other = model.run_with_cache(source, names_filter=[stream])
        new = head_reads(model, reader, into, other[stream])
        hook = (f"blocks.{reader[0]}.attn.hook_{into}", lambda v, hook: _put(v, new, reader[1]))
        return model.run_with_hooks(tokens, fwd_hooks=[hook])


def _all_hear(model, tokens, *, source, writer, reader, into):
    layer, head = writer
    name = f"blocks.{layer}.attn.hook_z"
    with torch.no_grad():
        _, other = model.run_with_cache(source, names_filter=[name])
        hook = (name, lambda z, hook: _put(z, other[name][:, :, head], head))
        return model.run_with_hooks(tokens, fwd_hooks=[hook])


def _leaves_hooks(model, tokens, *, source, writer, reader, into):
    settings = {"source": source, "writer": writer, "reader": reader, "into": into}
    logits = discovery.patch_edge(model, tokens, **settings)
    model.add_hook(f"blocks.{reader[0]}.attn.hook_{into}", lambda value, hook: value)
    return logits


def _last_only(stream, change):
    out = stream.clone()
    out[:, -1] += change[:, -1]
    return out


def _edge_with_hooks(model, tokens, *, source, writer, reader, into):
    """`model.hooks`, one dictionary, and weights instead of `head_reads` where there is no norm."""
    kept = {}

    def note(key):
        def hook(value, hook):
            kept[key] = value.clone()

        return hook

    z = f"blocks.{writer[0]}.attn.hook_z"
    with model.hooks(fwd_hooks=[(z, note("source"))]):
        model(source)

    def change(value, hook):
        block, to = model.blocks[writer[0]].attn, reader[1]
        own, other = (kept[k][:, :, writer[1], :] @ block.W_O[writer[1]] for k in ("own", "source"))
        before = head_reads(model, reader, into, kept["stream"])
        after = head_reads(model, reader, into, kept["stream"] - own + other)
        value[:, :, to, :] = value[:, :, to, :] + after - before
        return value

    hooks = [(z, note("own")), (f"blocks.{reader[0]}.ln1.hook_in", note("stream"))]
    with (
        torch.no_grad(),
        model.hooks(fwd_hooks=[*hooks, (f"blocks.{reader[0]}.attn.hook_{into}", change)]),
    ):
        return model(tokens)


# ---- All edges ----------------------------------------------------------------------------------


def _attribution(
    *,
    start="tokens",
    clone=True,
    reduce=torch.mean,
    change=lambda there, own, at_run: there - own,
    mask=lambda scores, allowed: scores * allowed,
    use_at=True,
    positions=slice(None),
    returned=True,
    multiply=lambda change, gradient: torch.einsum("wbpd,rbpd->wr", change, gradient),
    slopes=torch.autograd.grad,
):
    def edge_attribution(model, tokens, *, source, metric, at=None):
        names, here = edge_hooks(model), {}
        with torch.no_grad():
            _, there = model.run_with_cache(source, names_filter=names)
            _, own = model.run_with_cache(tokens, names_filter=names)

        def keep(value, hook):
            if hook.name == names[0]:
                begin = value if at is None or not use_at else at
                value = begin.detach().requires_grad_()
            here[hook.name] = value.clone() if clone else value
            return here[hook.name] if returned else None

        logits = model.run_with_hooks(
            tokens if start == "tokens" else source, fwd_hooks=[(name, keep) for name in names]
        )
        found = slopes(reduce(metric(logits)), [here[name] for name in names])
        gradient = read_gradients(model, here, dict(zip(names, found, strict=True)))
        moved = change(written(model, there), written(model, own), written(model, here))
        scores = multiply(moved[:, :, positions], gradient[:, :, positions])
        return mask(scores, graph(model).allowed)

    return edge_attribution


def _outer(change, gradient):
    return (change[:, None] * gradient[None]).sum((2, 3, 4))


def _outer_list(change, gradient):
    pairs = zip(change.unbind(1), gradient.unbind(1), strict=True)
    return sum(torch.einsum("wpd,rpd->wrpd", c, g).sum((2, 3)) for c, g in pairs)


def _by_backward(number, tensors):
    number.backward()
    return [each.grad for each in tensors]


def _writer_by_writer(change, gradient):
    return torch.stack([(each * gradient).sum((1, 2, 3)) for each in change])


def _attribution_backward_hooks(model, tokens, *, source, metric, at=None):
    """Backward hooks instead of `autograd.grad`, and a loop instead of einsum."""
    names, slopes = edge_hooks(model), {}
    with torch.no_grad():
        caches = [model.run_with_cache(run, names_filter=names)[1] for run in (tokens, source)]
    here = {}

    def forward(value, hook):
        here[hook.name] = value.detach()

    def back(gradient, hook):
        slopes[hook.name] = gradient

    def begin(value, hook):
        return (value if at is None else at).detach().requires_grad_()

    with model.hooks(
        fwd_hooks=[(names[0], begin), *((name, forward) for name in names)],
        bwd_hooks=[(name, back) for name in names],
    ):
        metric(model(tokens)).mean().backward()
    model.zero_grad(set_to_none=True)
    gradient = read_gradients(model, here, slopes)
    own, there = (written(model, cache) for cache in caches)
    scores = torch.zeros(len(own), len(gradient))
    for w, r in graph(model).allowed.nonzero().tolist():
        scores[w, r] = ((there[w] - own[w]) * gradient[r]).sum()
    return scores


def _attribution_matmul(model, tokens, *, source, metric, at=None):
    scores = _attribution(mask=lambda x, allowed: torch.where(allowed, x, 0.0))
    return scores(model, tokens, source=source, metric=metric, at=at)


# ---- Pruning ------------------------------------------------------------------------------------


def _prune(goes, *, cumulative=True, update=True, result=lambda parts, gone: parts - gone):
    def prune(parts, damage, *, threshold):
        gone, done = set(), damage(frozenset())
        for part in parts:
            tried = damage(frozenset((gone if cumulative else set()) | {part}))
            if goes(tried, done, threshold):
                gone |= {part}
                done = tried if update else done
        left = result(set(parts), gone)
        return [part for part in parts if part in left]

    return prune


def _prune_forgets_to_put_back(parts, damage, *, threshold):
    gone, kept, done = set(), [], damage(frozenset())
    for part in parts:
        gone |= {part}
        tried = damage(frozenset(gone))
        if tried - done >= threshold:
            kept.append(part)
        done = tried
    return kept


def _prune_skips(parts, damage, *, threshold):
    gone, done, left = set(), damage(frozenset()), list(parts)
    for part in left:
        tried = damage(frozenset(gone | {part}))
        if tried - done < threshold:
            gone, done = gone | {part}, tried
            left.remove(part)
    return left


def _prune_changes_parts(parts, damage, *, threshold):
    left = discovery.prune(list(parts), damage, threshold=threshold)
    parts[:] = left
    return parts


def _prune_backwards(parts, damage, *, threshold):
    return discovery.prune(list(parts)[::-1], damage, threshold=threshold)[::-1]


def _prune_again(parts, damage, *, threshold):
    left = list(parts)
    while True:
        gone = frozenset(parts) - set(left)
        done, before = damage(gone), left
        for part in before:
            tried = damage(gone | {part})
            if tried - done < threshold:
                gone, done = gone | {part}, tried
        left = [part for part in before if part not in gone]
        if left == before:
            return left


def _prune_cheapest_first(parts, damage, *, threshold):
    cheap = sorted(parts, key=lambda part: damage(frozenset({part})))
    left = discovery.prune(cheap, damage, threshold=threshold)
    return [part for part in parts if part in left]


def _prune_with_lists(parts, damage, *, threshold):
    return discovery.prune(parts, lambda removed: damage(list(removed)), threshold=threshold)


def _prune_with_sets(parts, damage, *, threshold):
    return discovery.prune(parts, lambda removed: damage(set(removed)), threshold=threshold)


def _prune_kept(parts, damage, *, threshold):
    """What is left, from the start; the damage is asked for anew each time."""
    kept = list(parts)
    for part in parts:
        gone = frozenset(x for x in parts if x not in kept)
        if damage(gone.union([part])) < damage(gone) + threshold:
            kept = [x for x in kept if x != part]
    return kept


def _prune_recursive(parts, damage, *, threshold):
    def left(rest, removed):
        if not rest:
            return ()
        first, *others = rest
        if damage(removed | {first}) - damage(removed) < threshold:
            return left(others, removed | {first})
        return (first, *left(others, removed))

    return left(list(parts), frozenset())


# ---- Minimality, completeness -------------------------------------------------------------------


def _largest(change, over=max):
    def minimality(metric_of, circuit, tries):
        found = {}
        for part in circuit:
            rows = []
            for gone in tries:
                rest = set(circuit) - set(gone) - {part}
                rows.append(change(metric_of, set(circuit), rest, part))
            found[part] = over(rows)
        return found

    return minimality


def _change(F, circuit, rest, part):
    return F(rest | {part}) - F(rest)


def _leave_one_out(metric_of, circuit, tries):
    full = metric_of(circuit)
    return {part: abs(full - metric_of(set(circuit) - {part})) for part in circuit}


def _part_stays_in_k(metric_of, circuit, tries):
    return {
        part: max(
            abs(metric_of(set(circuit) - set(k)) - metric_of(set(circuit) - set(k) - {part}))
            for k in tries
        )
        for part in circuit
    }


def _minimal_comprehension(metric_of, circuit, tries):
    def score(part):
        without = [frozenset(x for x in circuit if x not in k and x != part) for k in tries]
        return max(abs(metric_of(w) - metric_of([*w, part])) for w in without)

    return {part: torch.tensor(score(part)) for part in sorted(circuit)}


def _minimal_loop(metric_of, circuit, tries):
    found = dict.fromkeys(circuit, 0.0)
    for gone in tries:
        for part in circuit:
            left = [x for x in circuit if x == part or x not in gone]
            change = metric_of(left) - metric_of([x for x in left if x != part])
            found[part] = max(found[part], abs(change))
    return found


def _greedy(gap, best=max):
    def worst_removal(metric_of, circuit, everything, *, size):
        removed = []
        for _ in range(size):
            left = [part for part in circuit if part not in removed]
            score = lambda p: gap(metric_of, set(circuit), set(everything), {*removed, p})  # noqa: B023, E731
            removed.append(best(left, key=score))
        return removed

    return worst_removal


def _gap(F, circuit, everything, gone):
    return abs(F(everything - gone) - F(circuit - gone))


def _worst_alone(metric_of, circuit, everything, *, size):
    def gap(part):
        return _gap(metric_of, set(circuit), set(everything), {part})

    return sorted(circuit, key=gap, reverse=True)[:size]


def _worst_repeats(metric_of, circuit, everything, *, size):
    return [_worst_alone(metric_of, circuit, everything, size=1)[0]] * size


def _worst_of_everything(metric_of, circuit, everything, *, size):
    return list(everything)[-size:]


def _worst_recursive(metric_of, circuit, everything, *, size):
    def go(gone):
        if len(gone) == size:
            return gone
        scores = {
            part: _gap(metric_of, set(circuit), set(everything), {*gone, part})
            for part in circuit
            if part not in gone
        }
        return go((*gone, max(scores, key=scores.get)))

    return go(())


def _worst_by_tensor(metric_of, circuit, everything, *, size):
    circuit, out = list(circuit), []
    for _ in range(size):
        gaps = torch.tensor(
            [
                -1.0
                if part in out
                else float(_gap(metric_of, set(circuit), set(everything), {*out, part}))
                for part in circuit
            ]
        )
        out.append(circuit[int(gaps.argmax())])
    return out


MISSED = [("embed", "L0H2.q")]
for _copy in (1, 2, 3):
    MISSED += [("L0H2", f"L1H{_copy}.v"), (f"L1H{_copy}", "L2H3.q")]

MISTAKES = {
    "patch_edge": [
        ("turned round", _edge(runs=lambda t, s: (s, t)), "turned round"),
        ("all readers", _all_hear, "All later readers"),
        ("own stays", _edge(change=lambda own, other: other), "still there"),
        ("the change alone", _edge(reads=lambda stream, change: change), "*change* alone"),
        (
            "one writer alone",
            _edge(change=lambda own, other: other, reads=lambda stream, change: change),
            "one writer alone",
        ),
        ("sign", _edge(change=lambda own, other: own - other), "The sign"),
        ("last position", _edge(reads=_last_only), "last position"),
        ("always q", _edge(who=lambda w, r, into: (w, r, "q")), "`into` says"),
        (
            "another head writes",
            _edge(who=lambda w, r, i: ((w[0], (w[1] + 1) % 3), r, i)),
            "writer is",
        ),
        (
            "another head reads",
            _edge(who=lambda w, r, i: (w, (r[0], (r[1] + 1) % 3), i)),
            "reader is",
        ),
        ("the whole stream", _other_stream, "*whole* stream"),
        ("every head reads it", _edge(put=_put_everywhere), "Every head of the reader's"),
        ("hook returns nothing", _edge(put=lambda v, new, head: None), "Nothing has changed"),
        ("leaves a hook", _leaves_hooks, "changes its input `model`"),
        ("the logits' shape", lambda *a, **k: discovery.patch_edge(*a, **k)[:, -1], "shape"),
        ("another run", lambda model, tokens, *, source, **k: model(source), "source run itself"),
    ],
    "edge_attribution": [
        ("no mask", _attribution(mask=lambda x, allowed: x), "cannot be have a score"),
        ("no clone", _attribution(clone=False), "one tensor"),
        ("sum of the prompts", _attribution(reduce=torch.sum), "*sum* over the prompts"),
        ("in the source run", _attribution(start="source"), "in the source run"),
        ("sign", _attribution(change=lambda there, own, run: own - there), "The sign"),
        ("no difference", _attribution(change=lambda there, own, run: there), "subtract"),
        ("own", _attribution(change=lambda there, own, run: own), "source minus own"),
        ("transposed", lambda *a, **k: discovery.edge_attribution(*a, **k).T, "Rows are writers"),
        ("absolute", lambda *a, **k: discovery.edge_attribution(*a, **k).abs(), "sign is lost"),
        ("`at` not used", _attribution(use_at=False), "`at` is not used"),
        (
            "the change from `at`",
            _attribution(change=lambda there, own, run: there - run),
            "for the gradient alone",
        ),
        ("last position", _attribution(positions=slice(-1, None)), "last position"),
        ("hook returns nothing", _attribution(returned=False), "must *return*"),
        ("an outer product", _attribution(multiply=_outer), "Sum while you multiply"),
        ("each prompt's products", _attribution(multiply=_outer_list), "Sum while you multiply"),
        ("`.grad`", _attribution(slopes=_by_backward), "torch.autograd.grad"),
    ],
    "prune": [
        (
            "one at a time",
            _prune(lambda t, d, th: t - d < th, cumulative=False, update=False),
            "stay removed",
        ),
        ("total", _prune(lambda t, d, th: t < th), "*total* damage"),
        ("single", _prune(lambda t, d, th: t < th, cumulative=False), "part *alone*"),
        ("removes while it loops", _prune_skips, "never tried"),
        ("changes parts", _prune_changes_parts, "changes its input `parts` itself"),
        (
            "a set",
            lambda parts, damage, *, threshold: set(
                discovery.prune(parts, damage, threshold=threshold)
            ),
            "a set has no order",
        ),
        (
            "in the alphabet's order",
            lambda parts, damage, *, threshold: sorted(
                discovery.prune(parts, damage, threshold=threshold)
            ),
            "in the order of `parts`",
        ),
        ("at most the threshold", _prune(lambda t, d, th: t - d <= th), "exactly the threshold"),
        ("until nothing goes", _prune_again, "tried *once*"),
        ("cheapest first", _prune_cheapest_first, "in the order given"),
        ("lists for damage", _prune_with_lists, "It takes a frozenset"),
        ("sets for damage", _prune_with_sets, "It takes a frozenset"),
        ("threshold of its own", _prune(lambda t, d, th: t - d < 0.4), "not used as given"),
        ("a count", lambda parts, damage, *, threshold: 2, "Return a list"),
        (
            "start's damage",
            _prune(lambda t, d, th: t - d < th, update=False),
            "*so far*",
        ),
        (
            "returns the removed",
            _prune(lambda t, d, th: t - d < th, result=lambda p, gone: gone),
            "what is removed",
        ),
        ("backwards", _prune_backwards, "in the order given"),
        ("forgets to put back", _prune_forgets_to_put_back, "still counted as removed"),
        ("absolute change", _prune(lambda t, d, th: abs(t - d) < th), "absolute value"),
        ("keeps all", lambda parts, damage, *, threshold: list(parts), "Everything is kept"),
    ],
    "minimality": [
        ("leave one out", _leave_one_out, "leave-one-out"),
        ("signed", _largest(_change), "The sign"),
        ("smallest", _largest(lambda *a: abs(_change(*a)), min), "smallest"),
        ("sum", _largest(lambda *a: abs(_change(*a)), sum), "add up"),
        (
            "mean",
            _largest(lambda *a: abs(_change(*a)), lambda x: sum(x) / len(x)),
            "the mean over",
        ),
        ("from the full", _largest(lambda F, c, rest, p: abs(F(c) - F(rest))), "the full circuit"),
        ("in K", _part_stays_in_k, "holds the part itself"),
        ("the last try", _largest(lambda *a: abs(_change(*a)), lambda x: x[-1]), "last try"),
        ("a list", lambda *a: list(discovery.minimality(*a).values()), "Return a dictionary"),
    ],
    "worst_removal": [
        ("alone", _worst_alone, "worst *alone*"),
        ("signed", _greedy(lambda F, c, m, k: F(m - k) - F(c - k)), "The sign"),
        ("smallest", _greedy(_gap, min), "*smallest*"),
        ("circuit only", _greedy(lambda F, c, m, k: abs(F(m) - F(c - k))), "circuit only"),
        ("model only", _greedy(lambda F, c, m, k: abs(F(m - k) - F(c))), "model only"),
        ("lowers the circuit", _greedy(lambda F, c, m, k: -F(c - k)), "Compare circuit and model"),
        ("again", _worst_repeats, "twice"),
        ("of the model", _worst_of_everything, "no part of the circuit"),
        ("a set", lambda *a, **k: set(discovery.worst_removal(*a, **k)), "Return a list"),
        ("backwards", lambda *a, **k: discovery.worst_removal(*a, **k)[::-1], "another order"),
        ("one too few", lambda *a, size: discovery.worst_removal(*a, size=size)[1:], "should have"),
    ],
    "missed": [
        ("no saturated edge", MISSED[1:], "saturated"),
        ("two copies", MISSED[:5], "copies"),
        ("turned round", [edge[::-1] for edge in MISSED], "turned round"),
        ("what EAP finds", [*MISSED, ("L2H1", "logits")], "not missed"),
        ("a false edge", [*MISSED, ("L0H0", "L1H0.v")], "not a true edge"),
        ("one edge", ("embed", "L0H2.q"), "Give a list of edges"),
        ("names", "L0H2", "Give a list of edges"),
    ],
}

RIGHT = {
    "patch_edge": [("caches", _edge()), ("model.hooks, in place", _edge_with_hooks)],
    "edge_attribution": [
        ("backward hooks, a loop", _attribution_backward_hooks),
        ("where", _attribution_matmul),
        ("writer by writer", _attribution(multiply=_writer_by_writer)),
        ("flat", _attribution(multiply=lambda c, g: c.flatten(1) @ g.flatten(1).T)),
    ],
    "prune": [("what is kept", _prune_kept), ("recursive, a tuple", _prune_recursive)],
    "minimality": [("comprehension", _minimal_comprehension), ("try by try", _minimal_loop)],
    "worst_removal": [("recursive, a tuple", _worst_recursive), ("a tensor", _worst_by_tensor)],
    "missed": [
        ("another order", MISSED[::-1]),
        ("a set", set(MISSED)),
        ("lists", [list(edge) for edge in MISSED]),
    ],
}
