"""Lesson 3.3: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch
from torch.nn.functional import cosine_similarity, normalize

from utils.writing import geometry


def _spearman(a, b):
    return _pearson(*(x.argsort().argsort().float() for x in (a, b)))


def _pearson_in_place(A, B):
    A -= A.mean(0)
    return geometry.rsa(A, B)


def _off_diagonal(square):
    return square[tuple(torch.triu_indices(*square.shape, offset=1))]


def _pearson(a, b):
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


def _global(*, centre=(True, True), axis=0, pick=_off_diagonal, unit=True, end=_pearson):
    def rsa(A, B):
        found = []
        for E, wanted in zip((A, B), centre, strict=True):
            x = E - E.mean(axis, keepdim=True) if wanted else E
            x = x / x.norm(dim=-1, keepdim=True) if unit else x
            found.append(pick(x @ x.T))
        return end(*found)

    return rsa


def _unit_then_centred(A, B):
    found = []
    for E in (A, B):
        unit = E / E.norm(dim=-1, keepdim=True)
        centred = unit - unit.mean(0)
        found.append(_off_diagonal(centred @ centred.T))
    return _pearson(*found)


def _unit_then_centred_then_unit(A, B):
    return geometry.rsa(*(E / E.norm(dim=-1, keepdim=True) for E in (A, B)))


def _cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


def _centred_along_rows(E, neighbours, *, share=0.9):
    x = E[neighbours]
    variance = torch.linalg.svdvals(x - x.mean(-1, keepdim=True)) ** 2
    return (_held(variance) < share).sum(-1) + 1


def _global_mean(E, neighbours, *, share=0.9):
    variance = torch.linalg.svdvals((E - E.mean(0))[neighbours]) ** 2
    return (_held(variance) < share).sum(-1) + 1


def _dimension(*, centre=True, power=2, finish=None, flip=True):
    def intrinsic_dimension(E, neighbours, *, share=0.9):
        x = E[neighbours]
        x = x - x.mean(1, keepdim=True) if centre else x
        values = torch.linalg.svdvals(x) ** power
        values = values if flip else values.flip(-1)
        if finish:
            return finish(values, share)
        held = values.cumsum(-1) / values.sum(-1, keepdim=True)
        return (held < share).sum(-1) + 1

    return intrinsic_dimension


def _held(values):
    return values.cumsum(-1) / values.sum(-1, keepdim=True)


def _pearson_by_numpy(A, B):
    lists = []
    for E in (A.numpy(), B.numpy()):
        E = E - E.mean(axis=0)
        E = E / np.linalg.norm(E, axis=1, keepdims=True)
        lists.append((E @ E.T)[np.triu_indices(len(E), 1)])
    return np.corrcoef(*lists)[0, 1]


def _pearson_by_mask(A, B):
    """Each pair twice, which changes nothing, and the formula by hand."""
    away = ~torch.eye(len(A), dtype=torch.bool)
    a, b = (
        torch.nn.functional.cosine_similarity(E[:, None], E[None], dim=-1)[away]
        for E in (A - A.mean(0), B - B.mean(0))
    )
    a, b = a - a.mean(), b - b.mean()
    return (a @ b) / (a.norm() * b.norm())


def _dimension_by_loop(E, neighbours, *, share=0.9):
    found = []
    for row in neighbours:
        x = E[row] - E[row].mean(0)
        values = torch.linalg.eigvalsh(x.T @ x).tolist()[::-1]
        held, used = 0.0, 0
        while held < share * sum(values):
            held, used = held + values[used], used + 1
        found.append(used)
    return torch.tensor(found)


def _dimension_by_search(E, neighbours, *, share=0.9):
    x = E[neighbours]
    variance = torch.linalg.svdvals(x - x.mean(dim=1, keepdim=True)).square()
    held = torch.cumsum(variance, dim=-1) / variance.sum(dim=-1, keepdim=True)
    return (held >= share).float().argmax(-1) + 1.0


# ---- like_frequency


def _runs(*, order=torch.argsort, low=1, back=False, apart=False, one=False, rank=False, end=None):
    def like_frequency(counts, *, generator, window=20):
        places, other = order(counts), torch.empty_like(counts)
        runs = list(places.split(window))
        if not apart and len(runs) > 1 and len(runs[-1]) < window:
            runs[-2:] = [torch.cat(runs[-2:])]
        at = 0
        for run in runs:
            by = 1
            if not one and len(run) > low:
                by = int(torch.randint(low, len(run), (1,), generator=generator))
            where = torch.arange(at, at + len(run)) if rank else run
            other[where] = run.roll(by if back else -by)
            at += len(run)
        return end(other, counts) if end else other

    return like_frequency


def _by_count(counts, *, generator, window=20):
    """Words looked up by their count: where counts are equal, the last word stands for all."""
    at = {count: i for i, count in enumerate(counts.tolist())}
    pairing = _runs()(counts, generator=generator, window=window)
    return torch.tensor([at[count] for count in counts[pairing].tolist()])


def _by_first_count(counts, *, generator, window=20):
    """A word's place is searched by its count: words of one count get one partner."""
    order, other = counts.argsort(), _runs()(counts, generator=generator, window=window)
    spelt = counts[order].tolist()
    return torch.stack([other[order[spelt.index(count)]] for count in counts.tolist()])


def _ties_out_of_order(counts, *, generator, window=20):
    """Where counts are equal, the whole list is shifted by a run."""
    if len(counts.unique()) == len(counts):
        return _runs()(counts, generator=generator, window=window)
    order, other = counts.argsort(), torch.empty_like(counts)
    other[order] = order.roll(-2 * window)
    return other


def _ties_left_alone(counts, *, generator, window=20):
    other = _runs()(counts, generator=generator, window=window)
    return other if len(counts.unique()) == len(counts) else torch.arange(len(counts))


def _frequency_by_lists(counts, *, generator, window=20):
    order = sorted(range(len(counts)), key=lambda i: counts[i].item())
    other = [0] * len(order)
    n_runs = max(len(order) // window, 1)
    for r in range(n_runs):
        run = order[r * window :] if r == n_runs - 1 else order[r * window : (r + 1) * window]
        by = torch.randint(1, len(run), (1,), generator=generator).item()
        for i, word in enumerate(run):
            other[word] = run[(i + by) % len(run)]
    return torch.tensor(other)


def _frequency_by_numpy(counts, *, generator, window=20):
    order, other = np.argsort(counts.numpy()), np.empty(len(counts), dtype=np.int64)
    cuts = np.arange(window, len(order) - len(order) % window, window)
    for run in np.split(order, cuts):
        by = int(torch.randint(1, len(run), (1,), generator=generator))
        other[run] = np.roll(run, -by)
    return torch.from_numpy(other)


# ---- fit_map


def _map(*, centre=(True, True), swap=False, penalty=None, end=lambda T, A, B: T):
    def fit_map(A, B, *, ridge=0.0):
        A, B = (B, A) if swap else (A, B)
        a, b = (E - E.mean(0) if c else E for E, c in zip((A, B), centre, strict=True))
        n, s = len(a), a.square().mean()
        price = ridge * n * s if penalty is None else penalty(ridge, n, s, a, A)
        eye = torch.eye(a.shape[1], dtype=a.dtype)
        return end(torch.linalg.pinv(a.T @ a + price * eye) @ a.T @ b, a, b)

    return fit_map


def _map_by_augmenting(A, B, *, ridge=0.0):
    a, b = A - A.mean(0), B - B.mean(0)
    extra = (ridge * a.square().sum() / a.shape[1]).sqrt() * torch.eye(a.shape[1])
    left, right = torch.cat([a, extra]), torch.cat([b, torch.zeros(a.shape[1], b.shape[1])])
    return torch.linalg.lstsq(left, right, driver="gelsd").solution


def _map_by_numpy(A, B, *, ridge=0.0):
    a, b = ((E - E.mean(0)).numpy() for E in (A, B))
    gram = a.T @ a + ridge * len(a) * np.mean(a**2) * np.eye(a.shape[1])
    return torch.from_numpy(np.linalg.solve(gram, a.T @ b)).float()


def _map_by_columns(A, B, *, ridge=0.0):
    a, b = A - A.mean(0), B - B.mean(0)
    gram = a.T @ a
    gram.diagonal().add_(ridge * len(a) * a.pow(2).mean())
    return torch.stack([torch.linalg.solve(gram, a.T @ column) for column in b.T], dim=1)


# ---- steering_effects


def _steered(
    *,
    size=lambda v, norm: norm * v / v.norm(),
    where=slice(1, None),
    place="blocks.{}.hook_resid_pre",
    put=False,
    minus=True,
    end=lambda found: found,
    off=True,
):
    def steering_effects(model, vectors, measure, *, layer, norm):
        plain, found, before = measure(), [], 0
        for v in vectors:
            step = size(v, norm) + before

            def add(resid, hook, step=step):
                out = resid.clone()
                out[:, where] = step if put else out[:, where] + step
                return out

            with model.hooks(fwd_hooks=[(place.format(layer), add)]):
                now = measure()
            found.append(now - plain if minus else now)
            before = 0 if off else step
        return end(torch.stack(found))

    return steering_effects


def _steered_in_place(model, vectors, measure, *, layer, norm):
    plain, rows = measure(), []
    for v in vectors:

        def add(resid, hook, v=v):
            resid = resid.clone()
            resid[:, 1:, :] = resid[:, 1:, :] + v * (norm / v.norm())
            return resid

        with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", add)]):
            rows.append((measure() - plain).tolist())
    return torch.tensor(rows)


def _steered_by_mask(model, vectors, measure, *, layer, norm):
    plain = measure()
    out = torch.zeros(len(vectors), len(plain))
    for i in range(len(vectors)):
        unit = normalize(vectors[i], dim=0) * norm

        def add(resid, hook, unit=unit):
            mask = torch.arange(resid.shape[1], device=resid.device) > 0
            return resid + mask[None, :, None] * unit

        with model.hooks([(f"blocks.{layer}.hook_resid_pre", add)]):
            out[i] = measure()
    return out - plain


def _steered_by_cat(model, vectors, measure, *, layer, norm):
    steps, plain = norm * normalize(vectors, dim=-1), measure()

    def run(step):
        def add(resid, hook):
            return torch.cat([resid[:, :1], resid[:, 1:] + step], dim=1)

        with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", add)]):
            return measure() - plain

    return torch.stack([run(step) for step in steps])


# ---- lle_agreement


def _lle(*, centre=True, itself=False, of_a=False, flat=False, more=0, far=False, compare=None):
    def lle_agreement(A, B, *, k=10):
        rows, kept = [], None
        for E in (A, B):
            x = normalize(E - E.mean(0) if centre else E, dim=-1)
            cosines = x @ x.T
            if not itself:
                cosines.fill_diagonal_(9 if far else -9)
            near = cosines.topk(k + more, largest=not far).indices
            near = kept if of_a and kept is not None else near
            kept = near
            w = geometry.lle_weights(x, x[near])
            w = torch.ones_like(w) if flat else w
            rows.append(torch.zeros_like(cosines).scatter_(1, near, w))
        return compare(*rows) if compare else cosine_similarity(*rows, dim=-1)

    return lle_agreement


def _pressed(A, B, *, k=10):
    found = []
    for E in (A, B):
        x = normalize(E - E.mean(0), dim=-1)
        found.append(geometry.lle_weights(x, x[geometry.nearest_rows(E, k)]))
    return cosine_similarity(*found, dim=-1)


def _lle_by_loop(A, B, *, k=10):
    rows = []
    for E in (A, B):
        x, near = geometry.unit_rows(E), geometry.nearest_rows(E, k)
        row = torch.zeros(len(E), len(E))
        for i in range(len(E)):
            row[i, near[i]] = geometry.lle_weights(x[i : i + 1], x[near[i]][None])[0]
        rows.append(row)
    return torch.stack([torch.dot(a, b) / a.norm() / b.norm() for a, b in zip(*rows, strict=True)])


def _lle_by_einsum(A, B, *, k=10):
    rows = []
    for E in (A, B):
        x, near = geometry.unit_rows(E), geometry.nearest_rows(E, k)
        hot = torch.nn.functional.one_hot(near, len(E)).float()
        rows.append(torch.einsum("nk,nkm->nm", geometry.lle_weights(x, x[near]), hot))
    a, b = rows
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def _lle_by_indexing(A, B, *, k=10):
    unit = [geometry.unit_rows(E) for E in (A, B)]
    rows = [torch.zeros(len(A), len(A)) for _ in unit]
    for x, row in zip(unit, rows, strict=True):
        cosines = x @ x.T - 5 * torch.eye(len(x))
        near = cosines.argsort(dim=-1, descending=True)[:, :k]
        row[torch.arange(len(x))[:, None], near] = geometry.lle_weights(x, x[near])
    return cosine_similarity(rows[0], rows[1])


def _rsa_by_loop(A, B):
    lists = []
    for E in (A, B):
        x = E - E.mean(0)
        lists.append(
            [cosine_similarity(x[i], x[j], dim=0) for i in range(len(x)) for j in range(i)]
        )
    a, b = (torch.stack(each) - torch.stack(each).mean() for each in lists)
    return (a @ b / a.norm() / b.norm()).item()


def _dimension_by_covariance(E, neighbours, *, share=0.9):
    x = E[neighbours] - E[neighbours].mean(1, keepdim=True)
    variance = torch.linalg.eigvalsh(x.mT @ x).flip(-1)
    return (_held(variance) < share - 1e-9).sum(-1) + 1


def _with_penalty(penalty):
    return _map(penalty=penalty)


MISTAKES = {
    "rsa": [
        ("with the diagonal", _global(pick=lambda s: s), "diagonal is counted"),
        ("not centred", _global(centre=(False, False)), "not centred"),
        ("one side centred", _global(centre=(True, False)), "one is not"),
        ("inner products", _global(unit=False), "divide each row by its length"),
        ("lengths before the mean", _unit_then_centred, "before they were centred"),
        ("lengths, mean, lengths", _unit_then_centred_then_unit, "before they were centred"),
        ("centred along the row", _global(axis=1), "mean *row*"),
        ("cosine of cosines", _global(end=_cosine), "takes the mean"),
        ("zeros on the diagonal", _global(pick=lambda s: s - s.diag().diag()), "set to zero"),
        ("zeros below the diagonal", _global(pick=lambda s: s.triu(1)), "lower triangle"),
        (
            "neither",
            _global(centre=(False, False), pick=lambda s: s),
            "Neither centred, nor without",
        ),
        ("size", lambda A, B: abs(geometry.rsa(A, B)), "models may also disagree"),
        ("at least 0", lambda A, B: max(geometry.rsa(A, B), 0.0), "cut off at 0"),
        ("squared", lambda A, B: geometry.rsa(A, B) ** 2, "square of the correlation"),
        ("sizes of cosines", _global(pick=lambda s: _off_diagonal(s).abs()), "correlation"),
        ("ranks", _global(end=_spearman), "correlation of ranks"),
        (
            "covariance",
            _global(end=lambda a, b: torch.cov(torch.stack([a, b]))[0, 1]),
            "covariance",
        ),
        ("table", _global(end=lambda a, b: torch.corrcoef(torch.stack([a, b]))), "a table of"),
        ("in place", _pearson_in_place, "changes its input `A`"),
    ],
    "like_frequency": [
        ("itself", lambda counts, **k: torch.arange(len(counts)), "got itself"),
        ("counts", _runs(end=lambda other, counts: counts[other]), "Those are counts"),
        ("not sorted", _runs(order=lambda c: torch.arange(len(c))), "sort by count first"),
        (
            "frequent first",
            _runs(order=lambda c: c.argsort(descending=True)),
            "from frequent to rare",
        ),
        ("ranks", _runs(order=lambda c: c.argsort().argsort()), "`argsort` once"),
        ("rolled back", _runs(back=True), "other way"),
        ("in sorted order", _runs(rank=True), "in sorted order"),
        ("a short run", _runs(apart=True), "left over"),
        ("one place", _runs(one=True), "by one place"),
        ("from 0", _runs(low=0), "draw from 1"),
        ("a list", _runs(end=lambda other, counts: other.tolist()), "Return a tensor"),
        ("by count", _by_count, "used twice"),
        ("by the first of its count", _by_first_count, "used twice"),
        ("ties elsewhere", _ties_out_of_order, "outside its run"),
        ("ties alone", _ties_left_alone, "a word got itself"),
        (
            "shuffled",
            lambda c, *, generator, window=20: torch.randperm(len(c), generator=generator),
            "any other order",
        ),
    ],
    "fit_map": [
        ("turned round", _map(swap=True), "from B to A"),
        ("transposed", _map(end=lambda T, a, b: T.T), "transposed"),
        ("not centred", _map(centre=(False, False)), "Neither side"),
        ("A not centred", _map(centre=(False, True)), "A is not"),
        ("no penalty", _with_penalty(lambda r, n, s, a, A: 0.0), "penalty is missing"),
        ("the ridge alone", _with_penalty(lambda r, n, s, a, A: r), "`ridge` alone"),
        ("no n", _with_penalty(lambda r, n, s, a, A: r * s), "lacks n"),
        ("no s", _with_penalty(lambda r, n, s, a, A: r * n), "lacks s"),
        ("s of A", _with_penalty(lambda r, n, s, a, A: r * n * A.square().mean()), "as it came"),
        ("minus", _with_penalty(lambda r, n, s, a, A: -r * n * s), "wrong sign"),
        ("predictions", _map(end=lambda T, a, b: a @ T), "predictions"),
        ("a.T @ b", _map(end=lambda T, a, b: a.T @ b), "solve the equation"),
    ],
    "steering_effects": [
        ("with, not minus", _steered(minus=False), "take away"),
        ("turned", _steered(end=lambda f: -f), "sign is turned"),
        ("own lengths", _steered(size=lambda v, norm: v), "own lengths"),
        ("times norm", _steered(size=lambda v, norm: norm * v), "multiplied by `norm`"),
        ("unit", _steered(size=lambda v, norm: v / v.norm()), "multiply by `norm`"),
        ("BOS too", _steered(where=slice(0, None)), "BOS"),
        ("the last", _steered(where=slice(-1, None)), "last position alone"),
        ("replaced", _steered(put=True), "replaced"),
        ("after", _steered(place="blocks.{}.hook_resid_post"), "after the block"),
        ("taken away", _steered(size=lambda v, norm: -norm * v / v.norm()), "taken away"),
        ("a mean", _steered(end=lambda f: f.mean(-1)), "each pair"),
        ("left on", _steered(off=False), "earlier vectors"),
        ("squeezed", _steered(end=lambda f: f.squeeze(0)), "[1, pair]"),
        ("nothing", _steered(size=lambda v, norm: 0 * v), "Nothing changes"),
    ],
    "lle_agreement": [
        ("A's neighbours", _lle(of_a=True), "each model has its own"),
        ("pressed", _pressed, "column of *its word*"),
        ("not centred", _lle(centre=False), "not centred"),
        ("far", _lle(far=True), "furthest"),
        ("overlap", _lle(flat=True), "compare the weights"),
        ("k + 1", _lle(more=1), "one neighbour more"),
        ("k - 1", _lle(more=-1), "one less"),
        ("products", _lle(compare=lambda a, b: (a * b).sum(-1)), "inner products"),
        (
            "Pearson",
            _lle(
                compare=lambda a, b: cosine_similarity(
                    a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True), dim=-1
                )
            ),
            "Pearson",
        ),
        ("mean", lambda A, B, *, k=10: geometry.lle_agreement(A, B, k=k).mean(), "single number"),
    ],
    "intrinsic_dimension": [
        ("not centred", _dimension(centre=False), "not centred"),
        ("the mean of all", _global_mean, "not centred"),
        ("singular values", _dimension(power=1), "singular values"),
        (
            "one too few",
            _dimension(finish=lambda v, s: (_held(v) < s).sum(-1)),
            "One too few",
        ),
        ("one too many", _dimension(finish=lambda v, s: (_held(v) < s).sum(-1) + 2), "too many"),
        ("smallest first", _dimension(flip=False), "smallest component"),
        (
            "participation",
            _dimension(finish=lambda v, s: v.sum(-1) ** 2 / v.pow(2).sum(-1)),
            "participation",
        ),
        (
            "each component's own share",
            _dimension(finish=lambda v, s: (v / v.sum(-1, keepdim=True) >= s).sum(-1)),
            "each hold",
        ),
        (
            "one number for all",
            _dimension(finish=lambda v, s: ((_held(v) < s).sum(-1) + 1).float().mean()),
            "should have shape",
        ),
        ("no share", lambda E, near, *, share=0.9: _dimension()(E, near), "Is `share` used"),
        (
            "every component",
            _dimension(finish=lambda v, s: (v > 0).sum(-1) + 0 * v[:, 0]),
            "All of",
        ),
        ("centred along the row", _centred_along_rows, "not centred"),
        (
            "another default",
            lambda E, near, *, share=0.5: _dimension()(E, near, share=share),
            "default share",
        ),
        (
            "squeezed",
            lambda E, near, **k: _dimension()(E, near, **k).squeeze(),
            "axis is lost",
        ),
        ("a list", lambda E, near, **k: _dimension()(E, near, **k).tolist(), "should be a tensor"),
        (
            "sorted",
            lambda E, near, **k: _dimension()(E, near, **k).sort().values,
            "The dimensions for a share of 0.6 should be",
        ),
    ],
    "which_map": [
        ("two letters", {"a": "half", "b": "true"}, "the letters"),
        ("another word", {"a": "half", "b": "freq", "c": "true"}, "are called"),
        ("one kind twice", {"a": "half", "b": "half", "c": "true"}, "one letter"),
        ("true and half", {"a": "true", "b": "frequency", "c": "half"}, "At least two letters"),
        ("turned", {"a": "frequency", "b": "true", "c": "half"}, "for you to measure"),
        ("frequency is a", {"a": "frequency", "b": "half", "c": "true"}, "At least two letters"),
        ("frequency is c", {"a": "half", "b": "true", "c": "frequency"}, "At least two letters"),
        ("a list", ["half", "frequency", "true"], "dictionary"),
    ],
}

RIGHT = {
    "rsa": [
        ("numpy", _pearson_by_numpy),
        ("a mask and 0-d tensor", _pearson_by_mask),
        ("loops", _rsa_by_loop),
    ],
    "like_frequency": [
        ("lists", _frequency_by_lists),
        ("numpy", _frequency_by_numpy),
        ("split", _runs()),
    ],
    "fit_map": [
        ("augmented rows", _map_by_augmenting),
        ("numpy", _map_by_numpy),
        ("columns", _map_by_columns),
    ],
    "steering_effects": [
        ("lists", _steered_in_place),
        ("a mask", _steered_by_mask),
        ("cat", _steered_by_cat),
    ],
    "lle_agreement": [
        ("loop", _lle_by_loop),
        ("einsum", _lle_by_einsum),
        ("indexing", _lle_by_indexing),
    ],
    "intrinsic_dimension": [
        ("a loop", _dimension_by_loop),
        ("floats", _dimension_by_search),
        ("covariance", _dimension_by_covariance),
    ],
    "which_map": [
        ("as found", {"a": "half", "b": "frequency", "c": "true"}),
        ("another order", {"c": "true", "a": "half", "b": "frequency"}),
        ("capitals", {"a": "Half", "b": "Frequency", "c": "True"}),
    ],
}
