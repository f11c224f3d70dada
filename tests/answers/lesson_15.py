"""Lesson 1.5: the library's version of each exercise, and plausible wrong answers."""

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
    gone, done = set(), damage(frozenset())
    for part in parts:
        tried = damage(frozenset(gone | {part}))
        if tried - done < threshold:
            gone, done = gone | {part}, tried
            parts.remove(part)
    return parts


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
        ("changes parts", _prune_changes_parts, "itself was changed"),
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
        ("in place", _in_place, "itself was changed"),
        ("into one row", _into_fill, "widen `fill`"),
    ],
    "faithfulness": [
        ("plain ratio", _share(lambda c, n, w: c / w), "no* head"),
        ("above only", _share(lambda c, n, w: (c - n) / w), "below the line too"),
        ("below only", _share(lambda c, n, w: c / (w - n)), "above the line too"),
        ("difference", _share(lambda c, n, w: c - n), "difference of metrics"),
        ("lack", _share(lambda c, n, w: (w - c) / (w - n)), "lacks"),
        ("upside down", _share(lambda c, n, w: (w - n) / (c - n)), "upside down"),
        ("cut off", _share(lambda c, n, w: min(1.0, (c - n) / (w - n))), "cut it off"),
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
