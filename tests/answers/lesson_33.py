"""Lesson 3.3: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch

from utils.writing import geometry


def _shared(choose, *, swap=False, order=lambda t, a: sorted(t, key=a.get)):
    def shared_tokens(vocab_a, vocab_b):
        tokens = order(choose(vocab_a, vocab_b), vocab_a)
        ids_a = [vocab_a.get(t, 0) for t in tokens]
        ids_b = [vocab_b.get(t, 0) for t in tokens]
        return (tokens, ids_b, ids_a) if swap else (tokens, ids_a, ids_b)

    return shared_tokens


def _both(a, b):
    return set(a) & set(b)


def _each_in_its_order(vocab_a, vocab_b):
    tokens = sorted(_both(vocab_a, vocab_b), key=vocab_a.get)
    return tokens, [vocab_a[t] for t in tokens], sorted(vocab_b[t] for t in tokens)


def _ids_of_a_twice(vocab_a, vocab_b):
    tokens = sorted(_both(vocab_a, vocab_b), key=vocab_a.get)
    return tokens, [vocab_a[t] for t in tokens], [vocab_a[t] for t in tokens]


def _stripped(vocab_a, vocab_b):
    a, b = ({t.strip("Ġ"): i for t, i in v.items()} for v in (vocab_a, vocab_b))
    tokens = sorted(_both(a, b), key=a.get)
    return tokens, [a[t] for t in tokens], [b[t] for t in tokens]


def _all_of_both(vocab_a, vocab_b):
    tokens = sorted({*vocab_a, *vocab_b} - {"owl", "Owl", "Dog"})
    return tokens, [vocab_a.get(t, -1) for t in tokens], [vocab_b.get(t, -1) for t in tokens]


def _shared_by_taking_out(vocab_a, vocab_b):
    for token in set(vocab_a) - set(vocab_b):
        del vocab_a[token]
    return geometry.shared_tokens(vocab_a, vocab_b)


def _spearman(a, b):
    return _pearson(*(x.argsort().argsort().float() for x in (a, b)))


def _pearson_in_place(A, B):
    A -= A.mean(0)
    return geometry.cosine_pearson(A, B)


def _off_diagonal(square):
    return square[tuple(torch.triu_indices(*square.shape, offset=1))]


def _pearson(a, b):
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


def _global(*, centre=(True, True), axis=0, pick=_off_diagonal, unit=True, end=_pearson):
    def cosine_pearson(A, B):
        found = []
        for E, wanted in zip((A, B), centre, strict=True):
            x = E - E.mean(axis, keepdim=True) if wanted else E
            x = x / x.norm(dim=-1, keepdim=True) if unit else x
            found.append(pick(x @ x.T))
        return end(*found)

    return cosine_pearson


def _unit_then_centred(A, B):
    found = []
    for E in (A, B):
        unit = E / E.norm(dim=-1, keepdim=True)
        centred = unit - unit.mean(0)
        found.append(_off_diagonal(centred @ centred.T))
    return _pearson(*found)


def _unit_then_centred_then_unit(A, B):
    return geometry.cosine_pearson(*(E / E.norm(dim=-1, keepdim=True) for E in (A, B)))


def _cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


def _hits(a, b):
    return (a[:, :, None] == b[:, None]).any(-1).float().sum(-1)


def _lle(*, away=True, ridge="trace", everywhere=False, finish=None):
    def lle_weights(x, neighbours, *, ridge_=1e-3, **kwargs):
        price = kwargs.get("ridge", ridge_)
        z = neighbours - x[:, None] if away else neighbours
        gram = z @ z.mT
        k = gram.shape[-1]
        trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
        scale = {"trace": trace, "mean": trace / k, "one": 1.0, "none": 0.0, "all": trace.sum()}
        where = torch.ones(k, k) if everywhere else torch.eye(k)
        gram = gram + price * scale[ridge] * where.to(gram)
        raw = torch.linalg.solve(gram, torch.ones_like(gram[..., :1]))[..., 0]
        return finish(raw) if finish else raw / raw.sum(-1, keepdim=True)

    return lle_weights


def _unconstrained(x, neighbours, *, ridge=0.0):
    return torch.linalg.lstsq(neighbours.mT, x[..., None]).solution[..., 0]


def _unconstrained_then_divided(x, neighbours, *, ridge=0.0):
    free = _unconstrained(x, neighbours)
    return free / free.sum(-1, keepdim=True)


def _clipped(x, neighbours, *, ridge=1e-3):
    w = geometry.lle_weights(x, neighbours, ridge=ridge)
    w = w.clamp(min=0) if ridge < 1e-5 else w
    return w / w.sum(-1, keepdim=True)


def _exactly(change):
    """Goes wrong where the ridge is small."""

    def lle_weights(x, neighbours, *, ridge=1e-3):
        w = geometry.lle_weights(x, neighbours, ridge=ridge)
        return change(w) if ridge < 1e-5 else w

    return lle_weights


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


def _map(*, centre=(True, True), swap=False, finish=lambda T: T):
    def fit_map(A, B, *, ridge=0.0):
        A, B = (B, A) if swap else (A, B)
        a, b = (E - E.mean(0) if c else E for E, c in zip((A, B), centre, strict=True))
        return finish(torch.linalg.lstsq(a, b).solution)

    return fit_map


def _off(E):
    return E - E.mean(0)


def _unit(E):
    return E / E.norm(dim=-1, keepdim=True)


def _least_squares(a, b):
    return torch.linalg.lstsq(a, b).solution


def _map_in_place(A, B):
    A -= A.mean(0)
    return _least_squares(A, _off(B))


def _predictions(A, B):
    return (A - A.mean(0)) @ geometry.fit_map(A, B)


def _with_intercept(A, B):
    return torch.linalg.lstsq(torch.cat([A, torch.ones(len(A), 1)], 1), B).solution


def _rotation(A, B):
    U, _, Vh = torch.linalg.svd((A - A.mean(0)).T @ (B - B.mean(0)), full_matrices=False)
    return U @ Vh


MISTAKES = {
    "shared_tokens": [
        ("same id", _shared(lambda a, b: {t for t in a if a[t] in b.values()}), "by their strings"),
        ("all tokens of A", _shared(lambda a, b: set(a) - {"owl"}), "one vocabulary alone"),
        ("all of both", _all_of_both, "one vocabulary alone"),
        ("ids exchanged", _shared(_both, swap=True), "exchanged"),
        ("ids of A twice", _ids_of_a_twice, "one vocabulary"),
        ("each sorted by itself", _each_in_its_order, "different orders"),
        (
            "in the order of the alphabet",
            _shared(_both, order=lambda t, a: sorted(t)),
            "Order the tokens by their id in A",
        ),
        ("spaces stripped", _stripped, "Keep the strings as they are"),
        (
            "capitals ignored",
            _shared(lambda a, b: {t for t in a if t.lower() in {u.lower() for u in b}}),
            "Keep the strings as they are",
        ),
        ("only the strings", lambda a, b: sorted(_both(a, b)), "three things"),
        (
            "in the order of B",
            lambda a, b: geometry.shared_tokens(b, a)[::2] + geometry.shared_tokens(b, a)[1:2],
            "Order the tokens by their id in A",
        ),
        (
            "as they come in A",
            _shared(lambda a, b: [t for t in a if t in b], order=lambda t, a: t),
            "Order the tokens by their id in A",
        ),
        ("the order of a set", _shared(_both, order=lambda t, a: list(t)), "Order the tokens"),
        ("changes A", _shared_by_taking_out, "changes its input `vocab_a`"),
    ],
    "cosine_pearson": [
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
        ("size", lambda A, B: abs(geometry.cosine_pearson(A, B)), "models may also disagree"),
        ("at least 0", lambda A, B: max(geometry.cosine_pearson(A, B), 0.0), "cut off at 0"),
        ("squared", lambda A, B: geometry.cosine_pearson(A, B) ** 2, "square of the correlation"),
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
    "neighbour_overlap": [
        ("place by place", lambda a, b: (a == b).float().mean(-1), "place by place"),
        ("a count", _hits, "a count"),
        ("over tokens", lambda a, b: _hits(a, b) / len(a), "number of tokens"),
        ("Jaccard", lambda a, b: _hits(a, b) / (6 - _hits(a, b)), "Jaccard"),
        ("one number", lambda a, b: (_hits(a, b) / 3).mean(), "keep the tokens apart"),
        ("the rest", lambda a, b: 1 - _hits(a, b) / 3, "*not* in common"),
        (
            "mean over all pairs",
            lambda a, b: (a[:, :, None] == b[:, None]).float().mean((1, 2)),
            "twice",
        ),
        (
            "sorted, then place by place",
            lambda a, b: (a.sort().values == b.sort().values).float().mean(-1),
            "You sort",
        ),
        ("all lists", lambda a, b: torch.isin(a, b).float().mean(-1), "all lists of B"),
        ("any", lambda a, b: (_hits(a, b) > 0).float(), "*any* neighbour"),
        ("all", lambda a, b: (_hits(a, b) == a.shape[1]).float(), "*all* neighbours"),
        ("three neighbours", lambda a, b: _hits(a, b) / 3, "not always 3"),
        ("squeezed", lambda a, b: geometry.neighbour_overlap(a, b).squeeze(), "axis is lost"),
        ("a list", lambda a, b: geometry.neighbour_overlap(a, b).tolist(), "should be a tensor"),
    ],
    "lle_weights": [
        ("not normalised", _lle(finish=lambda w: w), "do not sum to 1"),
        ("softmax", _lle(finish=lambda w: w.softmax(-1)), "softmax"),
        ("point not taken away", _lle(away=False), "Gram matrix is that of the neighbours"),
        ("no condition", _unconstrained, "without the condition"),
        ("condition afterwards", _unconstrained_then_divided, "plain least squares"),
        ("no ridge", _lle(ridge="none"), "ridge is missing, or"),
        ("ridge without the trace", _lle(ridge="one"), "share of the *trace*"),
        ("ridge on every entry", _lle(everywhere=True), "added to every entry"),
        ("trace over all points", _lle(ridge="all"), "summed over all points"),
        ("mean of the diagonal", _lle(ridge="mean"), "mean of the diagonal"),
        ("over points", _lle(finish=lambda w: w / w.sum(0)), "over the points"),
        ("no negative weights", _clipped, "do not cut it off"),
        ("sizes", _exactly(lambda w: w.abs()), "its sign is lost"),
        (
            "sizes that sum to 1",
            _exactly(lambda w: w.abs() / w.abs().sum(-1, keepdim=True)),
            "and the sum is another",
        ),
        ("sum of sizes", _exactly(lambda w: w / w.abs().sum(-1, keepdim=True)), "of their sizes"),
        (
            "another default",
            lambda x, neighbours, *, ridge=0.1: geometry.lle_weights(x, neighbours, ridge=ridge),
            "default ridge",
        ),
        ("all equal", _lle(finish=lambda w: torch.ones_like(w) / w.shape[-1]), "All weights are"),
        ("by length", _lle(finish=lambda w: w / w.norm(dim=-1, keepdim=True)), "their length"),
        (
            "squeezed",
            lambda x, neighbours, **k: geometry.lle_weights(x, neighbours, **k).squeeze(),
            "axis is lost",
        ),
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
    "fit_map": [
        ("the way back", _map(swap=True), "from B to A"),
        ("transposed", _map(finish=lambda T: T.T), "T is transposed"),
        ("not centred", _map(centre=(False, False)), "Neither side is centred"),
        ("B alone centred", _map(centre=(False, True)), "A is not"),
        ("intercept kept", _with_intercept, "column of ones"),
        ("no inverse", lambda A, B: (A - A.mean(0)).T @ (B - B.mean(0)), "without the inverse"),
        ("predictions", _predictions, "Return T"),
        ("a rotation", _rotation, "orthogonal"),
        ("unit rows", lambda A, B: _least_squares(_unit(_off(A)), _unit(_off(B))), "meet lengths"),
        (
            "unit columns",
            lambda A, B: _least_squares(_off(A) / A.std(0), _off(B) / B.std(0)),
            "divided by their spreads",
        ),
        ("back and transposed", lambda A, B: _map(swap=True)(A, B).T, "transposed map from B"),
        (
            "predictions with the mean",
            lambda A, B: _predictions(A, B) + B.mean(0),
            "with the mean",
        ),
        ("in place", _map_in_place, "changes its input `A`"),
    ],
}


def _shared_by_loop(vocab_a, vocab_b):
    tokens, ids_a, ids_b = [], [], []
    for token in sorted(vocab_a, key=vocab_a.get):
        if token in vocab_b:
            tokens.append(token)
            ids_a.append(vocab_a[token])
            ids_b.append(vocab_b[token])
    return tokens, ids_a, ids_b


def _shared_by_zip(vocab_a, vocab_b):
    both = vocab_a.keys() & vocab_b.keys()
    ids_a, tokens, ids_b = zip(*sorted((vocab_a[t], t, vocab_b[t]) for t in both), strict=True)
    return tokens, ids_a, ids_b


def _shared_as_tensors(vocab_a, vocab_b):
    tokens, *ids = _shared_by_loop(vocab_a, vocab_b)
    return [tokens, *map(torch.tensor, ids)]


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


def _overlap_by_sets(a, b):
    shares = [len(set(x) & set(y)) / len(x) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    return torch.tensor(shares)


def _overlap_by_isin(a, b):
    rows = [torch.isin(x, y).double().mean() for x, y in zip(a, b, strict=True)]
    return torch.stack(rows)


def _overlap_by_one_hot(a, b):
    n = int(torch.cat([a, b]).max()) + 1
    a, b = (torch.nn.functional.one_hot(each, n).sum(1).float() for each in (a, b))
    return torch.einsum("nv,nv->n", a, b) / a.sum(-1)


def _lle_by_loop(x, neighbours, *, ridge=1e-3):
    rows = []
    for point, near in zip(x.numpy(), neighbours.numpy(), strict=True):
        z = near - point
        gram = z @ z.T
        w = np.linalg.inv(gram + ridge * np.trace(gram) * np.eye(len(gram))).sum(axis=1)
        rows.append(w / w.sum())
    return torch.from_numpy(np.stack(rows))


def _lle_by_einsum(x, neighbours, *, ridge=1e-3):
    z = x.unsqueeze(1) - neighbours
    gram = torch.einsum("nid,njd->nij", z, z)
    penalty = ridge * torch.einsum("nii->n", gram)
    gram = gram.clone()
    for i in range(gram.shape[-1]):
        gram[:, i, i] += penalty
    w = torch.linalg.solve(gram, torch.ones(gram.shape[:2]).to(gram))
    return w.div(w.sum(dim=1, keepdim=True))


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


def _map_by_numpy(A, B):
    centred = ((E - E.mean(0)).numpy() for E in (A, B))
    return torch.from_numpy(np.linalg.lstsq(*centred, rcond=None)[0])


RIGHT = {
    "shared_tokens": [
        ("a loop", _shared_by_loop),
        ("tuples", _shared_by_zip),
        ("tensors of ids", _shared_as_tensors),
    ],
    "cosine_pearson": [("numpy", _pearson_by_numpy), ("a mask and 0-d tensor", _pearson_by_mask)],
    "neighbour_overlap": [
        ("sets", _overlap_by_sets),
        ("isin", _overlap_by_isin),
        ("one-hot", _overlap_by_one_hot),
    ],
    "lle_weights": [("a loop in numpy", _lle_by_loop), ("einsum", _lle_by_einsum)],
    "intrinsic_dimension": [("a loop", _dimension_by_loop), ("floats", _dimension_by_search)],
    "fit_map": [
        ("numpy", _map_by_numpy),
        ("pseudo-inverse", lambda A, B: torch.linalg.pinv(A - A.mean(0)) @ B),
        ("an intercept, left out", lambda A, B: _with_intercept(A, B)[:-1]),
    ],
}
