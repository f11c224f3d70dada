"""Lesson 1.5: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch

from utils.circuits import discovery


def _shares(of):
    def precision_recall(found, true):
        return of(set(found), set(true))

    return precision_recall


def _edges(change):
    def edge_attribution_scores(difference, gradient, allowed):
        return change(difference, gradient, allowed)

    return edge_attribution_scores


def _product(d, g):
    return torch.einsum("wbpd,rbpd->wr", d, g)


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


def _keep(change):
    def keep_heads(z, fill, kept):
        return change(z, fill, list(kept))

    return keep_heads


def _others(z, kept):
    return [h for h in range(z.shape[2]) if h not in kept]


def _put(z, where, value):
    z = z.clone()
    z[where] = value[where] if torch.is_tensor(value) else value
    return z


def _in_place(z, fill, kept):
    others = _others(z, kept)
    z[:, :, others] = fill.expand_as(z)[:, :, others]
    return z


def _into_fill(z, fill, kept):
    out = fill.clone()
    out[:, :, kept] = z[:, :, kept]
    return out


def _share(of):
    def faithfulness(metric_of, circuit, everything):
        none, whole = metric_of(frozenset()), metric_of(frozenset(everything))
        return of(metric_of(frozenset(circuit)), none, whole)

    return faithfulness


def _falls(of, scale=lambda full, none, whole: whole - none):
    def minimality(metric_of, circuit, everything):
        none, whole = metric_of(frozenset()), metric_of(frozenset(everything))
        full = metric_of(frozenset(circuit))
        return {
            part: of(metric_of, frozenset(circuit), part, full) / scale(full, none, whole)
            for part in circuit
        }

    return minimality


def _fall(metric_of, circuit, part, full):
    return full - metric_of(circuit - {part})


def _place_by_place(found, true):
    right = sum(f == t for f, t in zip(found, true, strict=False))
    return right / len(found) if found else 1.0, right / len(true)


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


def _fill_changed(z, fill, kept):
    if len(fill) != len(z):
        return discovery.keep_heads(z, fill, kept)
    fill[:, :, list(kept)] = z[:, :, list(kept)]
    return fill


def _one_after_the_other(metric_of, circuit, everything):
    gap, left, falls = metric_of(everything) - metric_of([]), list(circuit), {}
    for part in circuit:
        before = metric_of(left)
        left = [other for other in left if other != part]
        falls[part] = (before - metric_of(left)) / gap
    return falls


def _all_out(metric_of, circuit, everything):
    gap, left, falls = metric_of(everything) - metric_of([]), list(circuit), {}
    for part in circuit:
        left.remove(part)
        falls[part] = (metric_of(circuit) - metric_of(left)) / gap
    return falls


MISTAKES = {
    "precision_recall": [
        ("swapped", _shares(lambda f, t: (len(f & t) / len(t), len(f & t) / len(f))), "swapped"),
        ("counts", _shares(lambda f, t: (len(f & t), len(f & t))), "counts"),
        ("union", _shares(lambda f, t: (len(f & t) / len(f | t),) * 2), "either list"),
        ("false", _shares(lambda f, t: (len(f - t) / len(f), len(t - f) / len(t))), "wrong ones"),
        (
            "zero for nothing",
            _shares(lambda f, t: (len(f & t) / max(1, len(f)), len(f & t) / len(t))),
            "no claim was wrong",
        ),
        (
            "no guard",
            _shares(lambda f, t: (len(f & t) / len(f), len(f & t) / len(t))),
            "ZeroDivisionError",
        ),
        ("one number", _shares(lambda f, t: len(f & t) / len(f)), "two numbers"),
        (
            "by found",
            _shares(lambda f, t: (len(f & t) / max(1, len(f)),) * 2),
            "divided by what was",
        ),
        ("by true", _shares(lambda f, t: (len(f & t) / len(t),) * 2), "divided by what is true"),
        ("percent", _shares(lambda f, t: (100 * len(f & t) / max(1, len(f)), 0)), "should be"),
        (
            "no direction",
            lambda found, true: discovery.precision_recall(
                {frozenset(e) for e in found}, {frozenset(e) for e in true}
            ),
            "has a direction",
        ),
        ("place by place", _place_by_place, "place by place"),
        (
            "1 for nothing, twice",
            lambda found, true: discovery.precision_recall(found, true) if found else (1.0, 1.0),
            "recall is 0",
        ),
    ],
    "edge_attribution_scores": [
        ("no mask", _edges(lambda d, g, a: _product(d, g)), "not allowed"),
        ("mask inverted", _edges(lambda d, g, a: _product(d, g) * ~a), "turned round"),
        ("transposed", _edges(lambda d, g, a: (_product(d, g) * a).T), "Rows are writers"),
        ("batch mean", _edges(lambda d, g, a: _product(d, g) * a / d.shape[1]), "over the batch"),
        ("mean", _edges(lambda d, g, a: _product(d, g) * a / d.shape[2]), "over positions"),
        (
            "mean of everything",
            _edges(lambda d, g, a: _product(d, g) * a / d[0].numel()),
            "not a mean",
        ),
        (
            "last position",
            _edges(lambda d, g, a: _product(d[:, :, -1:], g[:, :, -1:]) * a),
            "last position",
        ),
        ("absolute", _edges(lambda d, g, a: (_product(d, g) * a).abs()), "sign is lost"),
        ("absolute inside", _edges(lambda d, g, a: _product(d.abs(), g.abs()) * a), "add first"),
        (
            "sums first",
            _edges(lambda d, g, a: torch.outer(d.sum((1, 2, 3)), g.sum((1, 2, 3))) * a),
            "coordinate by",
        ),
        (
            "cosine",
            _edges(
                lambda d, g, a: (
                    a
                    * torch.nn.functional.cosine_similarity(
                        d.flatten(1)[:, None], g.flatten(1), dim=-1
                    )
                )
            ),
            "cosine",
        ),
        ("cut off", _edges(lambda d, g, a: (_product(d, g) * a).relu()), "cut the scores"),
        ("sign", _edges(lambda d, g, a: _product(-d, g) * a), "turned round"),
        ("first prompt", _edges(lambda d, g, a: _product(d[:, :1], g[:, :1]) * a), "first prompt"),
        ("triangle", _edges(lambda d, g, a: _product(d, g).triu()), "triangle"),
        (
            "positions first",
            _edges(lambda d, g, a: torch.einsum("wbd,rbd->wr", d.sum(2), g.sum(2)) * a),
            "position by position",
        ),
        ("mean over d_model", _edges(lambda d, g, a: _product(d, g) * a / d.shape[3]), "d_model"),
        (
            "minus infinity",
            _edges(lambda d, g, a: _product(d, g).masked_fill(~a, float("-inf"))),
            "not finite",
        ),
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
    "keep_heads": [
        (
            "inverted",
            _keep(lambda z, f, k: _put(z, (slice(None), slice(None), k), f.expand_as(z))),
            "turned round",
        ),
        ("nothing", _keep(lambda z, f, k: z.clone()), "Nothing has changed"),
        ("all", _keep(lambda z, f, k: f.expand_as(z).clone()), "Every head is replaced"),
        (
            "positions",
            _keep(lambda z, f, k: _put(z, (slice(None), [0, 2, 4]), f.expand_as(z))),
            "positions",
        ),
        (
            "zero",
            _keep(lambda z, f, k: _put(z, (slice(None), slice(None), _others(z, k)), 0.0)),
            "zero ablation",
        ),
        (
            "first row",
            _keep(
                lambda z, f, k: _put(
                    z, (slice(None), slice(None), _others(z, k)), f[:1].expand_as(z)
                )
            ),
            "first row",
        ),
        (
            "added",
            _keep(lambda z, f, k: _put(z, (slice(None), slice(None), _others(z, k)), z + f)),
            "added",
        ),
        ("in place", _in_place, "changes its input `z` itself"),
        ("into `fill`", _fill_changed, "changes its input `fill` itself"),
        ("into one row", _into_fill, "widen `fill`"),
        ("cut out", _keep(lambda z, f, k: z[:, :, k]), "cut out"),
        (
            "mean fill",
            _keep(lambda z, f, k: discovery.keep_heads(z, f.mean(0, keepdim=True), k)),
            "mean of `fill`",
        ),
        (
            "one fill for all positions",
            _keep(lambda z, f, k: discovery.keep_heads(z, f.mean(1, True).expand_as(f), k)),
            "position by position",
        ),
        (
            "none kept is none replaced",
            _keep(lambda z, f, k: discovery.keep_heads(z, f, k) if k else z.clone()),
            "Nothing has changed",
        ),
        ("first of them", _keep(lambda z, f, k: discovery.keep_heads(z, f, k[:1])), "should be"),
    ],
    "faithfulness": [
        ("plain ratio", _share(lambda c, n, w: c / w), "no* head"),
        ("above only", _share(lambda c, n, w: (c - n) / w), "below the line too"),
        ("below only", _share(lambda c, n, w: c / (w - n)), "above the line too"),
        ("difference", _share(lambda c, n, w: c - n), "difference of metrics"),
        ("lack", _share(lambda c, n, w: (w - c) / (w - n)), "lacks"),
        ("upside down", _share(lambda c, n, w: (w - n) / (c - n)), "upside down"),
        ("cut off", _share(lambda c, n, w: min(1.0, (c - n) / (w - n))), "cut it off at 1"),
        ("cut off below", _share(lambda c, n, w: max(0.0, (c - n) / (w - n))), "cut it off at 0"),
        ("clamped", _share(lambda c, n, w: sorted((0, (c - n) / (w - n), 1))[1]), "cut it off"),
        ("absolute", _share(lambda c, n, w: abs((c - n) / (w - n))), "worse than nothing"),
        ("absolute both", _share(lambda c, n, w: abs(c - n) / abs(w - n)), "worse than nothing"),
        ("absolute below", _share(lambda c, n, w: (c - n) / abs(w - n)), "below the line"),
        ("mirrored", _share(lambda c, n, w: 1 - abs(c - w) / abs(w - n)), "distance from 1"),
        ("distance", _share(lambda c, n, w: (c - w) / (w - n)), "*distance*"),
        ("percent", _share(lambda c, n, w: 100 * (c - n) / (w - n)), "percent"),
        (
            "not below 0",
            _share(lambda c, n, w: max(c - n, -0.6) / max(w - n, 1e-9)),
            "Faithfulness",
        ),
        (
            "a share of the parts",
            lambda metric_of, circuit, everything: len(circuit) / len(everything),
            "share of the parts",
        ),
        (
            "the rest",
            lambda metric_of, circuit, everything: discovery.faithfulness(
                metric_of, set(everything) - set(circuit), everything
            ),
            "*without* the circuit",
        ),
    ],
    "minimality": [
        ("not normalised", _falls(_fall, lambda f, n, w: 1.0), "units of faithfulness"),
        ("sign", _falls(lambda *a: -_fall(*a)), "The sign"),
        ("remaining", _falls(lambda m, c, p, f: m(c - {p}) - m(frozenset())), "the rest still is"),
        (
            "alone",
            _falls(lambda m, c, p, f: m(frozenset({p})) - m(frozenset())),
            "Each part alone",
        ),
        (
            "out of the model",
            lambda metric_of, circuit, everything: {
                part: value
                for part, value in discovery.minimality(metric_of, everything, everything).items()
                if part in circuit
            },
            "a backup may stand in",
        ),
        ("absolute", _falls(lambda *a: abs(_fall(*a))), "sign is lost"),
        ("cut off", _falls(lambda *a: max(0.0, _fall(*a))), "cut the falls off"),
        ("absolute gap", _falls(_fall, lambda f, n, w: abs(w - n)), "below the line"),
        ("for good", _one_after_the_other, "out for good"),
        ("for good, from the full", _all_out, "compare with the full circuit"),
        (
            "share of the circuit's metric",
            _falls(_fall, lambda f, n, w: f),
            "share of the circuit's own metric",
        ),
        (
            "a list",
            lambda *a: list(discovery.minimality(*a).values()),
            "Return a dictionary",
        ),
        ("by the metric", _falls(_fall, lambda f, n, w: w), "m(everything) alone"),
        ("by the circuit", _falls(_fall, lambda f, n, w: f - n), "not by what the circuit does"),
        (
            "over everything",
            lambda metric_of, circuit, everything: discovery.minimality(
                metric_of, everything, everything
            ),
            "of the *circuit*",
        ),
    ],
}


def _precision_by_loop(found, true):
    right = 0
    for edge in found:
        if edge in true:
            right += 1
    if not found:
        return [torch.tensor(1.0), 0]
    return [torch.tensor(right / len(found)), np.float64(right / len(true))]


def _precision_by_list(found, true):
    hits = np.array([edge in set(true) for edge in found], dtype=float)
    return torch.tensor([hits.mean() if len(hits) else 1.0, hits.sum() / len(true)])


def _edges_by_loop(difference, gradient, allowed):
    scores = torch.zeros(allowed.shape)
    for w, r in allowed.nonzero().tolist():
        scores[w, r] = torch.dot(difference[w].flatten(), gradient[r].flatten())
    return scores


def _edges_by_matmul(difference, gradient, allowed):
    return torch.where(allowed, difference.flatten(1) @ gradient.flatten(1).T, 0.0)


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


def _keep_by_index(z, fill, kept):
    out = fill.expand_as(z).clone()
    out[:, :, list(kept)] = z[:, :, list(kept)]
    return out


def _keep_by_loop(z, fill, kept):
    heads = [
        z[:, :, h] if h in kept else fill[:, :, h].expand_as(z[:, :, h]) for h in range(z.shape[2])
    ]
    return torch.stack(heads, dim=2)


def _keep_by_mask(z, fill, kept):
    keep = torch.tensor([float(h in kept) for h in range(z.shape[2])])[:, None]
    return keep * z + (1 - keep) * fill


def _faithful_tensor(metric_of, circuit, everything):
    values = [metric_of(list(parts)) for parts in ([], circuit, everything)]
    none, alone, whole = torch.tensor(values, dtype=torch.float64)
    return 1 - (whole - alone) / (whole - none)


def _faithful_interpolated(metric_of, circuit, everything):
    none, whole = metric_of(frozenset()), metric_of(frozenset(everything))
    return np.divide(metric_of(tuple(circuit)) - none, whole - none)


def _minimal_by_faithfulness(metric_of, circuit, everything):
    full = discovery.faithfulness(metric_of, circuit, everything)
    return {
        part: full - discovery.faithfulness(metric_of, set(circuit) - {part}, everything)
        for part in sorted(circuit)
    }


def _minimal_by_loop(metric_of, circuit, everything):
    falls = {}
    for i, part in enumerate(circuit):
        rest = circuit[:i] + circuit[i + 1 :]
        gap = metric_of(everything) - metric_of(())
        falls[part] = torch.tensor((metric_of(circuit) - metric_of(rest)) / gap)
    return falls


RIGHT = {
    "precision_recall": [("a loop, a list", _precision_by_loop), ("a tensor", _precision_by_list)],
    "edge_attribution_scores": [("a loop", _edges_by_loop), ("matmul, where", _edges_by_matmul)],
    "prune": [("what is kept", _prune_kept), ("recursive, a tuple", _prune_recursive)],
    "keep_heads": [
        ("index", _keep_by_index),
        ("head by head", _keep_by_loop),
        ("a mask", _keep_by_mask),
    ],
    "faithfulness": [("a tensor", _faithful_tensor), ("numpy", _faithful_interpolated)],
    "minimality": [
        ("faithfulness, another order", _minimal_by_faithfulness),
        ("a loop, tensors", _minimal_by_loop),
    ],
}
