"""Checks of lesson 1.5, finding circuits automatically."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match
from utils.checks.inputs import described


@exercise("utils.circuits.discovery.precision_recall")
def check_precision_recall(precision_recall) -> str:
    """Edges counted by hand, one of them turned round, then the extremes."""
    edges = [(f"L0H{i}", f"L1H{i}.q") for i in range(8)]
    found, true = [edges[2], edges[0], edges[3], edges[6][::-1], edges[1]], edges[2:8]
    match(
        _pair(precision_recall(found, true)),
        torch.tensor([2 / 5, 2 / 6]),
        what="The pair",
        mistakes={
            "The two are swapped: precision is a share of what was *found*, and comes first.": (
                torch.tensor([2 / 6, 2 / 5])
            ),
            "Those are counts. Each is a share: of what was found, and of what is true.": (
                torch.tensor([2, 2])
            ),
            "Those are percent: a share is between 0 and 1.": torch.tensor([40, 100 / 3]),
            "Both are divided by everything that is in either list.": torch.tensor([2 / 9, 2 / 9]),
            "Both are divided by what was found: recall is a share of what is *true*.": (
                torch.tensor([2 / 5, 2 / 5])
            ),
            "Both are divided by what is true: precision is a share of what was *found*.": (
                torch.tensor([2 / 6, 2 / 6])
            ),
            "You counted the wrong ones: take what is in *both* lists.": torch.tensor(
                [3 / 5, 4 / 6]
            ),
            "An edge has a direction: (writer, reader) turned round is another edge.": (
                torch.tensor([3 / 5, 3 / 6])
            ),
            "You compared the lists place by place: an edge may stand anywhere in the other "
            "list.": torch.tensor([1 / 5, 1 / 6]),
        },
    )
    for others, name in ((true, "list"), (tuple(true), "tuple"), (set(true), "set")):
        match(
            _pair(precision_recall(tuple(true), others)),
            torch.tensor([1.0, 1.0]),
            what=f"With found = true, the latter a {name}, the pair",
            mistakes={},
        )
        match(
            _pair(precision_recall(edges[:2], others)),
            torch.tensor([0.0, 0.0]),
            what="With nothing right, the pair",
            mistakes={},
        )
    for nothing in ([], (), set()):
        match(
            _pair(precision_recall(nothing, true)),
            torch.tensor([1.0, 0.0]),
            what="With nothing found, the pair",
            mistakes={
                "With nothing found, no claim was wrong: the docstring says what precision is "
                "then.": torch.tensor([0.0, 0.0]),
                "With nothing found, precision is 1, but recall is 0: all is missed.": (
                    torch.tensor([1.0, 1.0])
                ),
            },
        )
    return "Of what you claim, and of what there is."


def _pair(got) -> torch.Tensor:
    expect(
        isinstance(got, (tuple, list, torch.Tensor)) and len(got) == 2,
        "Return two numbers: precision, then recall.",
    )
    return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in got])


@exercise("utils.circuits.discovery.edge_attribution_scores")
def check_edge_attribution_scores(edge_attribution_scores) -> str:
    """Random writers and readers; every entry is summed by a loop."""
    random = torch.Generator().manual_seed(0)
    for n_writers, n_readers, batch, n_pos, d_model in ((3, 6, 2, 4, 5), (4, 2, 1, 3, 6)):
        difference = torch.randn(n_writers, batch, n_pos, d_model, generator=random)
        gradient = torch.randn(n_readers, batch, n_pos, d_model, generator=random)
        allowed = torch.rand(n_writers, n_readers, generator=random) > 0.4
        allowed[0, 0], allowed[1, 0] = False, True

        def table(entry, writers=difference, readers=gradient) -> torch.Tensor:
            return torch.stack([torch.stack([entry(w, r) for r in readers]) for w in writers])

        plain = table(lambda d, g: (d * g).sum())
        signs = torch.tensor([-1.0, 1.0])  # the allowed pair and its neighbour have both signs
        difference[:2] *= (signs * plain[:2, 0].sign())[:, None, None, None]
        difference[2] *= -plain[2, 1].sign()
        allowed[2, 1] = True
        plain = table(lambda d, g: (d * g).sum())
        right = plain * allowed
        match(
            edge_attribution_scores(difference, gradient, allowed),
            right,
            what=f"The scores, [writer, reader], of {n_writers} writers and {n_readers} readers",
            mistakes={
                "Pairs that are not allowed have a score: a reader cannot read what is written "
                "after it.": plain,
                "The mask is turned round: `allowed` is True where the writer comes *before*.": (
                    plain * ~allowed
                ),
                "Only a triangle is kept: which pairs are allowed, `allowed` says.": plain.triu(),
                "Rows are writers, columns are readers; yours are the other way round.": right.T,
                "You averaged over the batch. The metric's own mean is in the gradient already, so "
                "sum.": right / batch,
                "You averaged over positions, or batch, or both: sum over all of them.": right
                / (batch * n_pos),
                "You averaged over positions: sum.": right / n_pos,
                "That is a mean over d_model: a dot product is a sum.": right / d_model,
                "You averaged over everything, d_model too: that needs a sum, not a mean.": right
                / (batch * n_pos * d_model),
                "Only the last position is counted. A reader's input at every position matters.": (
                    table(lambda d, g: (d[:, -1] * g[:, -1]).sum()) * allowed
                ),
                "Only the first prompt is counted: sum over the batch.": (
                    table(lambda d, g: (d[0] * g[0]).sum()) * allowed
                ),
                "The sign is lost: an edge may lower the metric.": right.abs(),
                "You cut the scores off at 0: an edge may lower the metric.": right.clamp(min=0),
                "The sign is lost before the sum: add first.": (
                    table(lambda d, g: (d * g).abs().sum()) * allowed
                ),
                "You added up differences and gradients before multiplying: multiply coordinate by "
                "coordinate, then add.": table(lambda d, g: d.sum() * g.sum()) * allowed,
                "You added up over positions before multiplying: multiply position by position, "
                "then add.": table(lambda d, g: (d.sum(1) * g.sum(1)).sum()) * allowed,
                "That is a cosine: lengths matter, a change that is twice as large has twice the "
                "effect.": table(lambda d, g: (d * g).sum() / (d.norm() * g.norm())) * allowed,
                "The sign is turned round.": -right,
            },
        )
    return "One matrix product for all edges: two forward passes and one backward."


@exercise("utils.circuits.discovery.prune")
def check_prune(prune) -> str:
    """Damage functions whose answer is known: additive, either-or, both-or-none, harmful.

    All numbers are sums of powers of 2, and so exact; no order is the alphabet's.
    """
    costs = {"d": 0.0, "b": 0.5, "e": 0.0625, "c": 0.0625, "a": 0.25}
    parts, tried = list(costs), set()

    def additive(removed, start: float = 0.125) -> float:
        tried.update(_frozen(removed))
        return start + sum(costs[part] for part in removed)

    kept = _kept(prune(list(parts), additive, threshold=0.09), parts)
    skipped = sorted(set(parts) - tried)
    expect(
        not (tried and skipped),
        f"{', '.join(skipped)} never tried. A loop over a list that loses items on the way skips "
        "the item after each one that goes: build a new list.",
    )
    if kept == parts and tried:
        from_zero = _kept(prune(list(parts), lambda x: additive(x, 0.0), threshold=0.09), parts)
        expect(
            from_zero != ["b", "c", "a"],
            "You compare the *total* damage with the threshold. Compare what this one removal "
            "*adds*.",
        )
        expect(
            from_zero != ["b", "a"],
            "You compare the damage of each part *alone* with the threshold. Compare what it "
            "*adds* to the damage of those that are gone already.",
        )
    expect(kept != ["d", "e", "c"], "That is what is removed. Return what is left.")
    expect(
        kept != parts,
        "Everything is kept. `damage` need not be 0 when nothing is removed: what counts is what "
        "a removal *adds*.",
    )
    expect(
        kept != ["b", "c", "a"],
        "Two parts that cost 0.0625 each should both go at a threshold of 0.09: compare with the "
        "damage done *so far*, not with the damage at the start.",
    )
    expect(set(kept) != {"b"}, "The threshold is not used as given: 0.25 is more than 0.09.")
    expect(
        set(kept) == {"b", "a"},
        f"With costs {costs} and threshold 0.09, b and a should be left; you have {kept}.",
    )
    expect(kept == ["b", "a"], "Return what is left in the order of `parts`, each part once.")
    kept = _kept(prune(parts, additive, threshold=0.25), parts)
    expect(
        kept == ["b", "a"],
        "A part that adds exactly the threshold stays: it goes if it adds *less*."
        if kept == ["b"]
        else f"With costs {costs} and threshold 0.25, b and a should be left; you have {kept}.",
    )

    def either(removed) -> float:
        # b alone costs a little more than a: no order by cost is the order given.
        return 1.0 if {"b", "a"} <= _frozen(removed) else 0.0625 * ("b" in removed)

    kept = _kept(prune(["b", "a"], either, threshold=0.09), ["b", "a"])
    expect(
        kept != [],
        "Either b or a is enough, and you removed both: a removed part must stay removed while "
        "the next one is tried.",
    )
    expect(
        kept != ["b", "a"],
        "Either b or a is enough, and you kept both: remove as you go.",
    )
    expect(kept == ["a"], "Try the parts in the order given: b is tried first, and can go.")

    def both(removed) -> float:
        return 0.5 if {"b", "a"} & _frozen(removed) else 0.0

    kept = _kept(prune(["b", "a", "c"], both, threshold=0.09), ["b", "a", "c"])
    expect(
        set(kept) == {"b", "a"},
        f"Losing b or a costs all of it, c nothing: b and a should be left; you have {kept}. Is a "
        "part that was tried and kept still counted as removed?",
    )

    def harmful(removed) -> float:
        return 0.5 - 0.25 * ("b" in _frozen(removed)) + 0.5 * ("a" in removed)

    kept = _kept(prune(["b", "a"], harmful, threshold=0.09), ["b", "a"])
    expect(
        kept == ["a"],
        "Without b there is *less* damage, so b should go: do not take the absolute value.",
    )

    def needed_until(removed) -> float:
        return 0.5 * ("b" in _frozen(removed) and "a" not in removed)

    kept = _kept(prune(["b", "a"], needed_until, threshold=0.09), ["b", "a"])
    expect(
        kept == ["b"],
        "Each part is tried *once*, in its turn: one that had to stay is not tried again when "
        "others have gone.",
    )
    expect(
        _kept(prune([], additive, threshold=0.09), []) == [],
        "Of no parts at all, none are left: return an empty list.",
    )
    return "Greedy: once round, and nothing comes back."


def _frozen(removed) -> frozenset:
    expect(
        isinstance(removed, frozenset),
        f"You gave `damage` {described(removed)}. It takes a frozenset, such as "
        "`frozenset({part})`, or `removed | {part}` where `removed` is one.",
    )
    return removed


def _kept(got, parts: list) -> list:
    expect(got is not None, "It came back as None: does every path of the function `return`?")
    expect(
        not isinstance(got, (set, frozenset)),
        "You returned a set, and a set has no order of its own: return a list, in the order of "
        "`parts`.",
    )
    expect(
        isinstance(got, (list, tuple)) and set(got) <= set(parts),
        "Return a list of the parts that are left.",
    )
    return list(got)


@exercise("utils.circuits.discovery.keep_heads")
def check_keep_heads(keep_heads) -> str:
    """Random outputs, all axes of different size, with one fill for all rows and one for each."""
    random = torch.Generator().manual_seed(0)
    for batch, rows, kept in (
        (2, 1, [1, 3]),
        (2, 2, [3, 1]),
        (2, 2, (0,)),
        (1, 1, [2]),
        (2, 1, []),
        (2, 2, [0, 1, 2, 3]),
    ):
        z = torch.randn(batch, 5, 4, 3, generator=random)
        fill = torch.randn(rows, 5, 4, 3, generator=random)
        full = fill.expand_as(z)
        others = [h for h in range(4) if h not in kept]

        def put(where, value, z=z) -> torch.Tensor:
            out = z.clone()
            out[where] = value[where] if torch.is_tensor(value) else value
            return out

        at, positions = (slice(None), slice(None), others), [p for p in range(5) if p not in kept]
        try:
            got = keep_heads(z, fill, kept)
        except Wrong as wrong:
            expect(
                rows == batch or not {"shape", "size"} & set(str(wrong).split()),
                "`fill` is [1, pos, head, d_head] here, and `z` has 2 rows: widen `fill` to the "
                f"rows of `z` first. ({wrong})",
            )
            raise
        match(
            got,
            put(at, full),
            what=f"The result for {batch} row{'s' * (batch > 1)}, with {rows} of `fill` and kept = "
            f"{kept},",
            mistakes={
                "Nothing has changed.": z,
                "Every head is replaced; those in `kept` stay.": full,
                "It is turned round: `kept` are the heads that stay.": put(
                    (slice(None), slice(None), list(kept)), full
                ),
                "Those are positions: heads are the third axis.": put(
                    (slice(None), positions), full
                ),
                "That is zero ablation: put `fill` there.": put(at, 0.0),
                "Every row gets the first row of `fill`; it may have a row for each prompt.": put(
                    at, full[:1].expand_as(z)
                ),
                "Every row gets the mean of `fill`; it may have a row for each prompt.": put(
                    at, full.mean(0, keepdim=True).expand_as(z)
                ),
                "Every position gets the same fill: take it position by position.": put(
                    at, full.mean(1, keepdim=True).expand_as(z)
                ),
                "`fill` is added to what the head gave; it should take its place.": put(
                    at, z + full
                ),
                "The heads that go are cut out. The result has all heads, [batch, pos, head, "
                "d_head].": z[:, :, list(kept)],
                "The kept heads are filled with the other heads' outputs.": full
                + (z - full).flip(2),
            },
        )
    return "The circuit runs; all other heads say the same as ever."


def _planted(values: dict, *pairs: tuple, nothing: float = 0.5):
    """A metric that adds up: `nothing`, a value for each part, 2 for either of a pair."""

    def metric_of(kept) -> float:
        kept = set(kept)
        backed = sum(bool(kept & set(pair)) for pair in pairs)
        return nothing + sum(values[x] for x in kept & set(values)) + 2.0 * backed

    return metric_of


@exercise("utils.circuits.discovery.faithfulness")
def check_faithfulness(faithfulness) -> str:
    """Metrics that are not 0 for nothing, with a pair of parts of which either is enough.

    In one metric the whole model is above nothing, in the other below.
    """
    values = {"a": 2.0, "b": 1.0, "c": -0.5, "d": 1.5, "e": 0.0, "f": 0.0}
    metric_of, everything = _planted(values, ("e", "f")), list(values)
    circuit = ["a", "c", "e"]
    none, whole, alone, rest = torch.tensor([0.5, 6.5, 4.0, 5.0])
    right = (alone - none) / (whole - none)
    match(
        faithfulness(metric_of, circuit, everything),
        right,
        what="Faithfulness",
        mistakes={
            "What is left with *no* head counts for you as the circuit's work. Subtract it, above "
            "the line and below.": alone / whole,
            "Subtract m(nothing) below the line too.": (alone - none) / whole,
            "Subtract m(nothing) above the line too.": alone / (whole - none),
            "That is a difference of metrics: divide, so that the whole model has 1.": alone - none,
            "That is what the circuit lacks: the whole model has 1, nothing has 0.": 1 - right,
            "That is the *distance* to the whole model: the whole model has 1, nothing has 0.": (
                (alone - whole) / (whole - none)
            ),
            "You asked for the model *without* the circuit.": (rest - none) / (whole - none),
            "The fraction is upside down.": 1 / right,
            "That is percent: the whole model has 1.": 100 * right,
            "That is a share of the parts: ask for the metric when only the circuit runs.": (
                torch.tensor(len(circuit) / len(everything))
            ),
        },
    )
    match(
        faithfulness(metric_of, everything, everything),
        torch.tensor(1.0),
        what="The whole model's faithfulness",
        mistakes={},
    )
    match(
        faithfulness(metric_of, {"a", "b", "d", "e"}, set(everything)),
        torch.tensor(6.5 / 6.0),
        what="A circuit without the harmful part",
        mistakes={
            "Do not cut it off at 1: more than the whole model is a result.": torch.tensor(1.0),
            "More than the whole model is a result: a distance from 1 hides it.": (
                torch.tensor(5.5 / 6.0)
            ),
        },
    )
    match(
        faithfulness(metric_of, ["c"], everything),
        torch.tensor(-0.5 / 6.0),
        what="The harmful part's faithfulness",
        mistakes={
            "Do not cut it off at 0: a circuit may do worse than nothing.": torch.tensor(0.0),
            "The sign is lost: a circuit may do worse than nothing.": torch.tensor(0.5 / 6.0),
        },
    )
    falling = _planted({"a": -2.0, "b": -1.0, "c": 0.5}, nothing=-0.5)
    match(
        faithfulness(falling, ["a"], ["a", "b", "c"]),
        torch.tensor(2.0 / 2.5),
        what="Faithfulness where the whole model is *below* nothing",
        mistakes={
            "The sign is lost below the line: where the whole model is below nothing, so should a "
            "faithful circuit be.": torch.tensor(-2.0 / 2.5),
            "You cut it off at 0: where the whole model is below nothing, both differences are "
            "below 0, and their ratio is not.": torch.tensor(0.0),
        },
    )
    match(
        faithfulness(falling, [], ["a", "b", "c"]),
        torch.tensor(0.0),
        what="The empty circuit's faithfulness",
        mistakes={},
    )
    return "0 with nothing, 1 with everything, and perhaps more than 1 in between."


@exercise("utils.circuits.discovery.minimality")
def check_minimality(minimality) -> str:
    """Parts that add up, one that harms, and two pairs of which either is enough: e and f are
    both in the circuit, a has its backup z outside. Then a model that lowers its metric."""
    values = {"a": 0.5, "b": 1.0, "c": -0.5, "e": 0.0, "f": 0.0, "z": 1.5}
    metric_of = _planted(values, ("e", "f"), ("a", "z"))
    everything, circuit = list(values), ["b", "a", "e", "f", "c"]
    gap, whole, full = 6.5, 7.0, 5.5
    right = torch.tensor([1.0, 2.5, 0.0, 0.0, -0.5]) / gap
    match(
        _in_order(minimality(metric_of, circuit, everything), circuit),
        right,
        what="The falls, in the order of the circuit,",
        mistakes={
            "Divide by m(everything) - m(nothing), so that they are in units of faithfulness.": (
                right * gap
            ),
            "The sign: how much faithfulness *falls* when the part is out.": -right,
            "The sign is lost: without a harmful part faithfulness rises.": right.abs(),
            "You cut the falls off at 0: without a harmful part faithfulness rises.": right.relu(),
            "That is how faithful the rest still is: take the difference to the full circuit.": (
                full - 0.5
            )
            / gap
            - right,
            "Each part alone: take it *out* of the circuit, and leave the others in.": torch.tensor(
                [1.0, 2.5, 2.0, 2.0, -0.5]
            )
            / gap,
            "Each part is taken out for good: put it back before the next one goes.": (
                torch.tensor([1.0, 2.5, 0.0, 2.0, -0.5]) / gap
            ),
            "Each part is taken out for good: put it back, and compare with the full circuit.": (
                torch.tensor([1.0, 3.5, 3.5, 5.5, 5.0]) / gap
            ),
            "You took the part out of the whole model, where a backup may stand in: take it out of "
            "the *circuit*.": torch.tensor([1.0, 0.5, 0.0, 0.0, -0.5]) / gap,
            "You compare with the whole model; compare with the full circuit.": (
                (whole - full) / gap + right
            ),
            "Divide by m(everything) - m(nothing), not by m(everything) alone.": right
            * gap
            / whole,
            "Divide by what the whole model does, not by what the circuit does.": right
            * gap
            / (full - 0.5),
            "That is a share of the circuit's own metric: divide by m(everything) - m(nothing).": (
                right * gap / full
            ),
        },
    )
    falling = _planted({"a": -2.0, "b": -1.0, "c": 0.5}, nothing=-0.5)
    right = torch.tensor([-1.0, 0.5]) / -2.5
    match(
        _in_order(minimality(falling, ["b", "c"], ["a", "b", "c"]), ["b", "c"]),
        right,
        what="The falls where the whole model is *below* nothing",
        mistakes={
            "The sign is lost below the line: where the whole model is below nothing, a part that "
            "lowers the metric is a help.": -right,
            "The sign is lost where the whole model is below nothing.": right.abs(),
        },
    )
    return "0 may mean useless, or that a twin stands in."


def _in_order(got, circuit: list) -> torch.Tensor:
    expect(isinstance(got, dict), "Return a dictionary: part -> how much faithfulness falls.")
    expect(
        set(got) == set(circuit),
        "One entry for each part of the *circuit*, not of the whole model.",
    )
    return torch.tensor([float(got[part]) for part in circuit], dtype=torch.float64)
