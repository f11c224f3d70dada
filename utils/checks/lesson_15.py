"""Checks of lesson 1.5, finding circuits automatically."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


@exercise("utils.circuits.discovery.precision_recall")
def check_precision_recall(precision_recall) -> str:
    """Edges counted by hand, then the two extremes."""
    edges = [(f"L0H{i}", f"L1H{i}.q") for i in range(8)]
    found, true = edges[:4], edges[2:7]
    mistakes = {
        "The two are swapped: precision is a share of what was *found*, and comes first.": (
            torch.tensor([2 / 5, 2 / 4])
        ),
        "Those are counts. Each is a share: of what was found, and of what is true.": (
            torch.tensor([2, 2])
        ),
        "Both are divided by everything that is in either list.": torch.tensor([2 / 7, 2 / 7]),
        "You counted the wrong ones: take what is in *both* lists.": torch.tensor([2 / 4, 3 / 5]),
    }
    match(
        _pair(precision_recall(found, true)),
        torch.tensor([0.5, 0.4]),
        what="The pair",
        mistakes=mistakes,
    )
    match(
        _pair(precision_recall(tuple(true), set(true))),
        torch.tensor([1.0, 1.0]),
        what="With found = true, the pair",
        mistakes={},
    )
    match(
        _pair(precision_recall([], true)),
        torch.tensor([1.0, 0.0]),
        what="With nothing found, the pair",
        mistakes={
            "With nothing found, no claim was wrong: the docstring says what precision is then.": (
                torch.tensor([0.0, 0.0])
            )
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
    n_writers, n_readers, batch, n_pos, d_model = 3, 6, 2, 4, 5
    random = torch.Generator().manual_seed(0)
    difference = torch.randn(n_writers, batch, n_pos, d_model, generator=random)
    gradient = torch.randn(n_readers, batch, n_pos, d_model, generator=random)
    allowed = torch.rand(n_writers, n_readers, generator=random) > 0.4

    def table(entry) -> torch.Tensor:
        return torch.stack(
            [
                torch.stack([entry(difference[w], gradient[r]) for r in range(n_readers)])
                for w in range(n_writers)
            ]
        )

    plain = table(lambda d, g: (d * g).sum())
    right = plain * allowed
    got = edge_attribution_scores(difference.clone(), gradient.clone(), allowed.clone())
    match(
        got,
        right,
        what="The scores",
        mistakes={
            "Pairs that are not allowed have a score: a reader cannot read what is written after "
            "it.": plain,
            "The mask is turned round: `allowed` is True where the writer comes *before*.": plain
            * ~allowed,
            "Rows are writers, columns are readers; yours are the other way round.": right.T,
            "You averaged over the batch. The metric's own mean is in the gradient already, so "
            "sum.": right / batch,
            "You averaged over positions, or batch, or both: sum over all of them.": right
            / (batch * n_pos),
            "You averaged over positions: sum.": right / n_pos,
            "You averaged over everything, d_model too: that needs a sum, not a mean.": right
            / (batch * n_pos * d_model),
            "Only the last position is counted. A reader's input at every position matters.": table(
                lambda d, g: (d[:, -1] * g[:, -1]).sum()
            )
            * allowed,
            "The sign is lost: an edge may lower the metric.": right.abs(),
            "The sign is lost before the sum: add first.": table(lambda d, g: (d * g).abs().sum())
            * allowed,
            "You added up differences and gradients before multiplying: multiply coordinate by "
            "coordinate, then add.": table(lambda d, g: d.sum() * g.sum()) * allowed,
            "That is a cosine: lengths matter, a change that is twice as large has twice the "
            "effect.": table(lambda d, g: (d * g).sum() / (d.norm() * g.norm())) * allowed,
            "The sign is turned round.": -right,
        },
    )
    return "One matrix product for all edges: two forward passes and one backward."


@exercise("utils.circuits.discovery.prune")
def check_prune(prune) -> str:
    """Damage functions whose answer is known: additive, either-or, both-or-none, harmful."""
    costs = {"a": 0.0, "b": 0.3, "c": 0.04, "d": 0.04, "e": 0.2}
    parts, tried = list(costs), set()

    def additive(removed, start: float = 0.1) -> float:
        tried.update(removed)
        return start + sum(costs[part] for part in removed)

    given = list(parts)
    kept = _kept(prune(given, additive, threshold=0.05), parts)
    skipped = sorted(set(parts) - tried)
    expect(
        not (tried and skipped),
        f"{', '.join(skipped)} never tried. A loop over a list that loses items on the way skips "
        "the item after each one that goes: build a new list.",
    )
    expect(given == parts, "`parts` itself was changed. It is used again: build a new list.")
    if kept == parts and tried:
        from_zero = _kept(prune(list(parts), lambda x: additive(x, 0.0), threshold=0.05), parts)
        expect(
            from_zero != ["b", "d", "e"],
            "You compare the *total* damage with the threshold. Compare what this one removal "
            "*adds*.",
        )
        expect(
            from_zero != ["b", "e"],
            "You compare the damage of each part *alone* with the threshold. Compare what it "
            "*adds* to the damage of those that are gone already.",
        )
    expect(
        kept != ["a", "c", "d"],
        "That is what is removed. Return what is left.",
    )
    expect(
        kept != parts,
        "Everything is kept. `damage` need not be 0 when nothing is removed: what counts is what "
        "a removal *adds*.",
    )
    expect(
        kept != ["b", "d", "e"],
        "Two parts that cost 0.04 each should both go at a threshold of 0.05: compare with the "
        "damage done *so far*, not with the damage at the start.",
    )
    expect(set(kept) != {"b"}, "The threshold is not used as given: 0.2 is more than 0.05.")
    expect(
        set(kept) == {"b", "e"},
        f"With costs {costs} and threshold 0.05, b and e should be left; you have {kept}.",
    )
    expect(kept == ["b", "e"], "Return what is left in the order of `parts`.")

    def either(removed) -> float:
        return 1.0 if {"a", "b"} <= set(removed) else 0.0

    kept = _kept(prune(["a", "b"], either, threshold=0.05), ["a", "b"])
    expect(
        kept != [],
        "Either a or b is enough, and you removed both: a removed part must stay removed while "
        "the next one is tried.",
    )
    expect(
        kept != ["a", "b"],
        "Either a or b is enough, and you kept both: remove as you go.",
    )
    expect(kept == ["b"], "Try the parts in the order given: a is tried first, and can go.")

    def both(removed) -> float:
        return 0.5 if {"a", "b"} & set(removed) else 0.0

    kept = _kept(prune(["a", "b", "c"], both, threshold=0.05), ["a", "b", "c"])
    expect(
        set(kept) == {"a", "b"},
        f"Losing a or b costs all of it, c nothing: a and b should be left; you have {kept}. Is a "
        "part that was tried and kept still counted as removed?",
    )

    def harmful(removed) -> float:
        return 0.5 - 0.3 * ("a" in removed) + 0.4 * ("b" in removed)

    kept = _kept(prune(["a", "b"], harmful, threshold=0.05), ["a", "b"])
    expect(
        kept == ["b"],
        "Without a there is *less* damage, so a should go: do not take the absolute value.",
    )
    return "Greedy: once round, and nothing comes back."


def _kept(got, parts: list) -> list:
    expect(got is not None, "It came back as None: does every path of the function `return`?")
    expect(
        isinstance(got, (list, tuple, set, frozenset)) and set(got) <= set(parts),
        "Return a list of the parts that are left.",
    )
    return list(got)


@exercise("utils.circuits.discovery.keep_heads")
def check_keep_heads(keep_heads) -> str:
    """Random outputs, all axes of different size, with one fill for all rows and one for each."""
    random = torch.Generator().manual_seed(0)
    z = torch.randn(2, 5, 4, 3, generator=random)
    kept = [1, 3]
    others = [0, 2]
    for rows in (1, 2):
        fill = torch.randn(rows, 5, 4, 3, generator=random)
        full = fill.expand_as(z)

        def put(base, where, value):
            out = base.clone()
            out[where] = value[where] if torch.is_tensor(value) else value
            return out

        at = (slice(None), slice(None), others)
        before, filled = z.clone(), fill.clone()
        try:
            got = keep_heads(z, fill, list(kept))
        except Wrong as wrong:
            expect(
                rows > 1 or not {"shape", "size"} & set(str(wrong).split()),
                "`fill` is [1, pos, head, d_head] here, and `z` has 2 rows: widen `fill` to the "
                f"rows of `z` first. ({wrong})",
            )
            raise
        expect(
            torch.equal(z, before) and torch.equal(fill, filled),
            "`z` or `fill` itself was changed. Work on a copy: both are used again.",
        )
        match(
            got,
            put(z, at, full),
            what="The result",
            mistakes={
                "It is turned round: `kept` are the heads that stay.": put(
                    z, (slice(None), slice(None), kept), full
                ),
                "Nothing has changed.": z,
                "Every head is replaced; those in `kept` stay.": full,
                "Those are positions: heads are the third axis.": put(
                    z, (slice(None), [0, 2, 4]), full
                ),
                "That is zero ablation: put `fill` there.": put(z, at, 0.0),
                "Every row gets the first row of `fill`; it may have a row for each prompt.": put(
                    z, at, full[:1].expand_as(z)
                ),
                "`fill` is added to what the head gave; it should take its place.": put(
                    z, at, z + full
                ),
            },
        )
    empty = keep_heads(z, fill, [])
    match(empty, full, what="With no head kept, the result", mistakes={"Nothing has changed.": z})
    return "The circuit runs; all other heads say the same as ever."


def _planted(values: dict, *pairs: tuple):
    """A metric that adds up: 0.5 for nothing, a value for each part, 2 for either of a pair."""

    def metric_of(kept) -> float:
        kept = set(kept)
        backed = sum(bool(kept & set(pair)) for pair in pairs)
        return 0.5 + sum(values[x] for x in kept & set(values)) + 2.0 * backed

    return metric_of


@exercise("utils.circuits.discovery.faithfulness")
def check_faithfulness(faithfulness) -> str:
    """A metric that is not 0 for nothing, with a pair of parts of which either is enough."""
    values = {"a": 2.0, "b": 1.0, "c": -0.5, "d": 1.5}
    values |= {"e": 0.0, "f": 0.0}
    metric_of, everything = _planted(values, ("e", "f")), list(values)
    circuit = ["a", "c", "e"]
    none, whole, alone, rest = torch.tensor([0.5, 6.5, 4.0, 5.0])
    match(
        faithfulness(metric_of, circuit, everything),
        (alone - none) / (whole - none),
        what="Faithfulness",
        mistakes={
            "What is left with *no* head counts for you as the circuit's work. Subtract it, above "
            "the line and below.": alone / whole,
            "Subtract m(nothing) below the line too.": (alone - none) / whole,
            "Subtract m(nothing) above the line too.": alone / (whole - none),
            "That is a difference of metrics: divide, so that the whole model has 1.": alone - none,
            "That is what the circuit lacks: the whole model has 1, nothing has 0.": 1
            - (alone - none) / (whole - none),
            "You asked for the model *without* the circuit.": (rest - none) / (whole - none),
            "The fraction is upside down.": (whole - none) / (alone - none),
        },
    )
    match(
        faithfulness(metric_of, everything, everything),
        torch.tensor(1.0),
        what="The whole model's faithfulness",
        mistakes={},
    )
    match(
        faithfulness(metric_of, ["a", "b", "d", "e"], everything),
        torch.tensor(6.5 / 6.0),
        what="A circuit without the harmful part",
        mistakes={
            "Do not cut it off at 1: more than the whole model is a result.": torch.tensor(1.0)
        },
    )
    return "0 with nothing, 1 with everything, and perhaps more than 1 in between."


@exercise("utils.circuits.discovery.minimality")
def check_minimality(minimality) -> str:
    """Parts that add up, one that harms, and two pairs of which either is enough: e and f are
    both in the circuit, a has its backup z outside."""
    values = {"a": 0.5, "b": 1.0, "c": -0.5, "e": 0.0, "f": 0.0, "z": 1.5}
    metric_of = _planted(values, ("e", "f"), ("a", "z"))
    everything, circuit = list(values), ["b", "a", "e", "f", "c"]
    gap, whole, full = 6.5, 7.0, 5.5
    got = minimality(metric_of, circuit, everything)
    expect(isinstance(got, dict), "Return a dictionary: part -> how much faithfulness falls.")
    expect(
        set(got) == set(circuit),
        "One entry for each part of the *circuit*, not of the whole model.",
    )
    right = torch.tensor([1.0, 2.5, 0.0, 0.0, -0.5]) / gap
    match(
        torch.tensor([float(got[part]) for part in circuit], dtype=torch.float64),
        right,
        what="The falls, in the order of the circuit,",
        mistakes={
            "Divide by m(everything) - m(nothing), so that they are in units of faithfulness.": (
                right * gap
            ),
            "The sign: how much faithfulness *falls* when the part is out.": -right,
            "That is how faithful the rest still is: take the difference to the full circuit.": (
                full - 0.5
            )
            / gap
            - right,
            "Each part alone: take it *out* of the circuit, and leave the others in.": torch.tensor(
                [1.0, 2.5, 2.0, 2.0, -0.5]
            )
            / gap,
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
        },
    )
    return "0 may mean useless, or that a twin stands in."
