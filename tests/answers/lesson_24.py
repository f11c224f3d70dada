"""Answers to lesson 2.4: right ones in other styles, and plausible mistakes."""

import torch

from data.beliefs.task import stationary
from utils.reading import beliefs as reading
from utils.reading.linear import r_squared, ridge

# ---- The filter ---------------------------------------------------------------------------------


def _filter(
    *,
    start=stationary,
    step=lambda belief, M, T: torch.einsum("bi,bij->bj", belief, M),
    normal=lambda joint: joint / joint.sum(-1, keepdim=True),
    order=lambda tokens: tokens.T,
    carry=True,
    before=False,
    answer=lambda found, first: torch.stack(found, dim=1),
):
    def beliefs(tokens, T):
        first = start(T).expand(len(tokens), -1)
        belief, found = first, []
        for token in order(tokens):
            old = belief
            belief = normal(step(belief if carry else first, T[token], T))
            found.append(old if before else belief)
        return answer(found, first)

    return beliefs


def _even(T):
    return torch.full((T.shape[1],), 1 / T.shape[1]).double()


def _filter_by_loops(tokens, T):
    out = torch.zeros(*tokens.shape, T.shape[1]).double()
    for i, row in enumerate(tokens.tolist()):
        belief = stationary(T)
        for t, token in enumerate(row):
            joint = [
                sum(belief[a] * T[token, a, b] for a in range(len(belief)))
                for b in range(len(belief))
            ]
            joint = torch.stack(joint)
            belief = joint / sum(joint)
            out[i, t] = belief
    return out


def _filter_normalised_last(tokens, T):
    """Products of matrices; each row is divided by its sum at the end."""
    joint, found = stationary(T).repeat(len(tokens), 1)[:, None], []
    for t in range(tokens.shape[1]):
        joint = torch.bmm(joint, T[tokens[:, t]])
        found.append(joint[:, 0])
    found = torch.stack(found, 1)
    return found / found.sum(-1)[..., None]


# ---- The readout --------------------------------------------------------------------------------


def _read(
    *,
    draw=lambda n, rows, generator: torch.randperm(n, generator=generator)[: n // 2],
    by_row=False,
    turned=False,
    fit=lambda held: ~held,
    predict=lambda held: held,
    score=lambda predicted, y, held: r_squared(predicted, y[held]),
    answer=reading.Reading,
):
    def read_out(x, y, contexts, *, generator):
        _, which = contexts.unique(dim=0, return_inverse=True)
        n = len(x) if by_row else int(which.max()) + 1
        drawn = draw(n, len(x), generator)
        held = torch.isin(torch.arange(n) if by_row else which, drawn)
        held = ~held if turned else held
        rows = fit(held)
        fitted = ridge(x[rows], y[rows], penalty=1e-3)
        predicted = fitted(x[predict(held)])
        return answer(held, predicted, score(predicted, y, held))

    return read_out


def _read_by_names(x, y, contexts, *, generator):
    """Contexts as tuples; least squares of centred rows, written out."""
    names = [tuple(row) for row in contexts.tolist()]
    kinds = sorted(set(names))
    order = torch.randperm(len(kinds), generator=generator).tolist()
    out = {kinds[i] for i in order[: len(kinds) // 2]}
    held = torch.tensor([name in out for name in names])
    x, y = x.double(), y.double()
    mean, level = x[~held].mean(0), y[~held].mean(0)
    a = x[~held] - mean
    gram = a.T @ a + 1e-3 * torch.eye(x.shape[1]).double()
    predicted = (x[held] - mean) @ torch.linalg.inv(gram) @ a.T @ (y[~held] - level) + level
    wrong = ((predicted - y[held]) ** 2).sum()
    return held, predicted, 1 - wrong / ((y[held] - y[held].mean(0)) ** 2).sum()


def _fixed_split(x, y, contexts, *, generator):
    return reading.read_out(x, y, contexts, generator=torch.Generator().manual_seed(0))


# ---- Within bins --------------------------------------------------------------------------------


def _within(
    *,
    cut=lambda p, n: p.argsort().tensor_split(n),
    error=lambda predicted, right: (predicted - right).pow(2),
    spread=lambda right, predicted: (right - right.mean(0)).pow(2),
    answer=lambda wrong, left: 1 - sum(w.sum() for w in wrong) / sum(v.sum() for v in left),
):
    def r_squared_within(predicted, truth, next_token, *, n_bins):
        wrong, left = [], []
        for rows in cut(next_token, n_bins):
            wrong.append(error(predicted[rows], truth[rows]))
            left.append(spread(truth[rows], predicted[rows]))
        return float(answer(wrong, left))

    return r_squared_within


def _wide(p, n):
    place = torch.bucketize(p, torch.linspace(p.min(), p.max(), n + 1)[1:-1])
    return [(place == i).nonzero()[:, 0] for i in range(n) if (place == i).any()]


def _within_by_means(predicted, truth, next_token, *, n_bins):
    """The bin of each row first, then the means of all bins at once; a tensor comes back."""
    order = next_token.argsort()
    place = torch.empty_like(order)
    for i, rows in enumerate(torch.tensor_split(order, n_bins)):
        place[rows] = i
    one_hot = torch.nn.functional.one_hot(place, n_bins).to(truth)
    means = (one_hot.T @ truth) / one_hot.sum(0)[:, None]
    left = ((truth - means[place]) ** 2).sum()
    return 1 - ((truth - predicted) ** 2).sum() / left


def _within_by_loops(predicted, truth, next_token, *, n_bins):
    order = sorted(range(len(truth)), key=lambda i: float(next_token[i]))
    wrong = left = 0.0
    for part in torch.tensor(order).tensor_split(n_bins):
        rows = part.tolist()
        for state in range(truth.shape[1]):
            mean = sum(float(truth[i, state]) for i in rows) / len(rows)
            left += sum((float(truth[i, state]) - mean) ** 2 for i in rows)
            wrong += sum(float(truth[i, state] - predicted[i, state]) ** 2 for i in rows)
    return 1 - wrong / left


# ---- Exchanging ---------------------------------------------------------------------------------


def _exchange(
    *,
    place=lambda layer: f"blocks.{layer}.hook_resid_pre",
    new=lambda resid, theirs, part: resid + part(theirs - resid),
    roles=lambda rows, partners: (rows, partners),
    answer=lambda logits: logits.softmax(-1),
    returned=True,
    grad=False,
):
    def exchange(model, rows, partners, part, *, layer):
        rows, partners = roles(rows, partners)
        name = place(layer)
        with torch.set_grad_enabled(grad):
            _, cache = model.run_with_cache(partners, names_filter=[name])

            def hook(resid, hook):
                changed = new(resid, cache[name], part)
                return changed if returned else None

            return answer(model.run_with_hooks(rows, fwd_hooks=[(name, hook)]))

    return exchange


def _exchange_from_two_caches(model, rows, partners, part, *, layer):
    """What is added is made before, from two caches; `model.hooks` puts it in."""
    name = f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        theirs, own = (model.run_with_cache(each)[1][name] for each in (partners, rows))
        change = part(theirs - own)
        with model.hooks(fwd_hooks=[(name, lambda resid, hook: resid + change)]):
            logits = model(rows)
    return torch.softmax(logits, dim=-1)


def _exchange_pair_by_pair(model, rows, partners, part, *, layer):
    name, found, kept = f"blocks.{layer}.hook_resid_pre", [], {}

    def keep(resid, hook):
        kept["theirs"] = resid.clone()

    def put(resid, hook):
        return resid + part(kept["theirs"] - resid)

    with torch.no_grad():
        for row, partner in zip(rows, partners, strict=True):
            model.run_with_hooks(partner[None], fwd_hooks=[(name, keep)])
            found.append(model.run_with_hooks(row[None], fwd_hooks=[(name, put)])[0])
    return torch.stack(found).softmax(-1)


def _leaves_hooks(model, rows, partners, part, *, layer):
    model.add_hook(f"blocks.{layer}.hook_resid_pre", lambda resid, hook: resid)
    return reading.exchange(model, rows, partners, part, layer=layer)


def _change_alone(model, rows, partners, part, *, layer):
    with torch.no_grad():
        plain = model(rows).softmax(-1)
    return reading.exchange(model, rows, partners, part, layer=layer) - plain


# ---- The control --------------------------------------------------------------------------------


def _random_part(
    *,
    columns=lambda planes, generator: {
        at: torch.randn(each.shape, generator=generator) for at, each in planes.items()
    },
    part=reading.plane_part,
    wanted=lambda difference, planes: reading.plane_part(difference, planes).norm(
        dim=-1, keepdim=True
    ),
    scale=lambda found, wanted: found * wanted / found.norm(dim=-1, keepdim=True).clamp(min=1e-9),
):
    def random_part(difference, planes, *, generator):
        found = part(difference, columns(planes, generator))
        return scale(found, wanted(difference, planes))

    return random_part


def _one_plane(planes, generator):
    columns = torch.randn(next(iter(planes.values())).shape, generator=generator)
    return dict.fromkeys(planes, columns)


def _random_part_by_position(difference, planes, *, generator):
    out = torch.zeros_like(difference)
    for at in sorted(planes, reverse=True):
        own = torch.linalg.qr(planes[at].to(difference)).Q
        q, _ = torch.linalg.qr(torch.randn(*planes[at].shape, generator=generator))
        for i, row in enumerate(difference[:, at]):
            along = q @ (q.T @ row)
            out[i, at] = along / along.norm() * (own.T @ row).norm()
    return out


def _random_directions(difference, planes, *, generator):
    found = torch.zeros_like(difference)
    for at in planes:
        found[:, at] = torch.randn(difference[:, at].shape, generator=generator)
    wanted = reading.plane_part(difference, planes).norm(dim=-1, keepdim=True)
    return found * wanted / found.norm(dim=-1, keepdim=True).clamp(min=1e-9)


def _random_in_plane(difference, planes, *, generator):
    """A random vector in the plane, and not the part of the difference."""
    found = torch.zeros_like(difference)
    for at, each in planes.items():
        q = torch.linalg.qr(torch.randn(each.shape, generator=generator)).Q
        found[:, at] = torch.randn(len(difference), q.shape[1], generator=generator) @ q.T
    wanted = reading.plane_part(difference, planes).norm(dim=-1, keepdim=True)
    return found * wanted / found.norm(dim=-1, keepdim=True).clamp(min=1e-9)


def _random_without_clamp(found, wanted):
    return found * wanted / found.norm(dim=-1, keepdim=True)


def _one_seed(difference, planes, *, generator):
    return reading.random_part(difference, planes, generator=torch.Generator().manual_seed(5))


def _global_noise(difference, planes, *, generator):
    drawn = {at: torch.randn(each.shape) for at, each in planes.items()}
    found = reading.plane_part(difference, drawn)
    wanted = reading.plane_part(difference, planes).norm(dim=-1, keepdim=True)
    return found * wanted / found.norm(dim=-1, keepdim=True).clamp(min=1e-9)


# ---- Attention ----------------------------------------------------------------------------------


def _attention(
    *,
    mean=lambda pattern: pattern.mean(0),
    sign=-1,
    reduce=lambda diagonal, n: diagonal.mean(-1),
    answer=lambda rows: torch.stack(rows, -1),
):
    def attention_by_distance(pattern):
        n, found = pattern.shape[-1], mean(pattern)
        return answer([reduce(found.diagonal(sign * k, dim1=-2, dim2=-1), n) for k in range(n)])

    return attention_by_distance


def _attention_by_loops(pattern):
    batch, heads, n, _ = pattern.shape
    out = torch.zeros(heads, n)
    for head in range(heads):
        for distance in range(n):
            values = [
                pattern[b, head, q, q - distance].item()
                for b in range(batch)
                for q in range(distance, n)
            ]
            out[head, distance] = sum(values) / len(values)
    return out


def _attention_by_masks(pattern):
    n = pattern.shape[-1]
    back = torch.arange(n)[:, None] - torch.arange(n)
    masks = torch.stack([back == k for k in range(n)]).to(pattern)
    return torch.einsum("bhqk,dqk->hd", pattern, masks) / masks.sum((1, 2)) / len(pattern)


MISTAKES = {
    "beliefs": [
        ("an even start", _filter(start=_even), "even belief"),
        ("not normalised", _filter(normal=lambda joint: joint), "Not normalised"),
        (
            "transposed",
            _filter(step=lambda b, M, T: torch.einsum("bj,bij->bi", b, M)),
            "Transposed",
        ),
        ("before each token", _filter(before=True), "*before* each token"),
        ("nothing is carried", _filter(carry=False), "carry the belief"),
        ("no move", _filter(step=lambda b, M, T: b * M.sum(2)), "not moved"),
        ("entry by entry", _filter(step=lambda b, M, T: b * M.sum(1)), "entry by entry"),
        ("no token", _filter(step=lambda b, M, T: b @ T.sum(0)), "token is ignored"),
        ("softmax", _filter(normal=lambda joint: joint.softmax(-1)), "softmax"),
        ("from the last", _filter(order=lambda tokens: tokens.T.flip(0)), "last to the first"),
        ("the last alone", _filter(answer=lambda found, first: found[-1]), "last token alone"),
        ("positions first", _filter(answer=lambda f, first: torch.stack(f)), "stack along"),
        (
            "the start too",
            _filter(answer=lambda f, first: torch.stack([first, *f], 1)),
            "start is among",
        ),
        ("over the batch", _filter(normal=lambda joint: joint / joint.sum()), "should be"),
        ("a list", _filter(answer=lambda found, first: found), "tensor"),
    ],
    "read_out": [
        (
            "rows are split",
            _read(by_row=True, draw=lambda n, r, g: torch.randperm(n, generator=g)[: n // 2]),
            "on both sides",
        ),
        ("turned round", _read(turned=True), "turned round"),
        (
            "a tenth",
            _read(draw=lambda n, r, g: torch.randperm(n, generator=g)[: n // 10]),
            "half of them",
        ),
        ("fitted on all", _read(fit=torch.ones_like), "fitted on all rows"),
        ("fitted on the held-out", _read(fit=lambda held: held), "fitted on the held-out"),
        (
            "predicts all",
            _read(predict=torch.ones_like, score=lambda p, y, held: r_squared(p, y)),
            "for all rows",
        ),
        (
            "predicts what was fitted",
            _read(predict=lambda held: ~held, score=lambda p, y, held: r_squared(p, y[~held])),
            "rows that were fitted to",
        ),
        (
            "arguments exchanged",
            _read(score=lambda p, y, held: r_squared(y[held], p)),
            "what is predicted comes first",
        ),
        ("two things", _read(answer=lambda held, p, r2: (p, r2)), "three things"),
        ("numbers of rows", _read(answer=lambda h, p, r: (h.nonzero()[:, 0], p, r)), "each row"),
        ("0 and 1", _read(answer=lambda h, p, r: (h.long(), p, r)), "boolean"),
        ("a fixed split", _fixed_split, "same split"),
        (
            "not drawn from the generator",
            _read(draw=lambda n, r, g: torch.randperm(n)[: n // 2]),
            "global",
        ),
    ],
    "r_squared_within": [
        ("no bins", _within(cut=lambda p, n: [torch.arange(len(p))]), "over all rows"),
        (
            "not sorted",
            _within(cut=lambda p, n: torch.arange(len(p)).tensor_split(n)),
            "not in order",
        ),
        ("equally wide", _within(cut=_wide), "equally wide"),
        (
            "mean of bins",
            _within(
                answer=lambda wrong, left: (
                    sum(1 - w.sum() / v.sum() for w, v in zip(wrong, left, strict=True)) / len(left)
                )
            ),
            "mean over bins",
        ),
        (
            "the ratio",
            _within(
                answer=lambda wrong, left: sum(w.sum() for w in wrong) / sum(v.sum() for v in left)
            ),
            "take it from 1",
        ),
        (
            "upside down",
            _within(
                answer=lambda wrong, left: (
                    1 - sum(v.sum() for v in left) / sum(w.sum() for w in wrong)
                )
            ),
            "upside down",
        ),
        (
            "means of both",
            _within(error=lambda p, y: ((p - p.mean(0)) - (y - y.mean(0))).pow(2)),
            "forgives its errors",
        ),
        (
            "the wrong mean",
            _within(spread=lambda y, p: (y - p.mean(0)).pow(2)),
            "mean of `predicted`",
        ),
        ("mean over states", _within(spread=lambda y, p: (y - y.mean()).pow(2)), "each state"),
        (
            "no squares",
            _within(error=lambda p, y: (p - y).abs(), spread=lambda y, p: (y - y.mean(0)).abs()),
            "squares are missing",
        ),
        (
            "a mean over states of R2",
            _within(
                answer=lambda wrong, left: (
                    1 - sum(w.sum(0) for w in wrong) / sum(v.sum(0) for v in left)
                ).mean()
            ),
            "an R2 for each",
        ),
    ],
    "exchange": [
        ("returns nothing", _exchange(returned=False), "Nothing has changed"),
        ("sign", _exchange(new=lambda r, t, part: r + part(r - t)), "The sign"),
        ("taken away", _exchange(new=lambda r, t, part: r - part(t - r)), "The sign"),
        ("the part alone", _exchange(new=lambda r, t, part: part(t - r)), "part alone"),
        ("part of the stream", _exchange(new=lambda r, t, part: r + part(t)), "*difference*"),
        ("all of it", _exchange(new=lambda r, t, part: t), "All of the partners'"),
        (
            "another layer",
            _exchange(place=lambda layer: f"blocks.{1 - layer}.hook_resid_pre"),
            "another layer",
        ),
        (
            "after the block",
            _exchange(place=lambda layer: f"blocks.{layer}.hook_resid_post"),
            "*after* block",
        ),
        ("roles", _exchange(roles=lambda rows, partners: (partners, rows)), "roles"),
        ("logits", _exchange(answer=lambda logits: logits), "logits"),
        ("logs", _exchange(answer=lambda logits: logits.log_softmax(-1)), "log-probabilities"),
        ("the change", _change_alone, "change of the probabilities"),
        ("the last position", _exchange(answer=lambda x: x[:, -1].softmax(-1)), "last position"),
        ("a gradient", _exchange(grad=True), "gradient"),
        ("a hook stays", _leaves_hooks, "`model`"),
    ],
    "random_part": [
        (
            "the belief planes",
            lambda d, planes, *, generator: reading.plane_part(d, planes),
            "belief planes themselves",
        ),
        ("not scaled", _random_part(scale=lambda found, wanted: found), "not as long"),
        (
            "as long as the difference",
            _random_part(wanted=lambda d, planes: d.norm(dim=-1, keepdim=True)),
            "whole difference",
        ),
        (
            "one length",
            _random_part(
                wanted=lambda d, planes: (
                    reading.plane_part(d, planes).norm(dim=-1, keepdim=True).mean(0, keepdim=True)
                )
            ),
            "same length",
        ),
        ("no clamp", _random_part(scale=_random_without_clamp), "NaN"),
        ("a direction for each", _random_directions, "direction of its own"),
        ("not the part", _random_in_plane, "not the part"),
        ("one plane", _random_part(columns=_one_plane), "same plane"),
        (
            "one direction",
            _random_part(
                columns=lambda planes, g: {
                    at: torch.randn(len(each), 1, generator=g) for at, each in planes.items()
                }
            ),
            "one line",
        ),
        (
            "uniform columns",
            _random_part(
                columns=lambda planes, g: {
                    at: torch.rand(each.shape, generator=g) for at, each in planes.items()
                }
            ),
            "centred at 0",
        ),
        (
            "the sign",
            _random_part(scale=lambda f, w: -f * w / f.norm(dim=-1, keepdim=True).clamp(min=1e-9)),
            "sign",
        ),
        ("a seed of its own", _one_seed, "same control"),
        ("torch's generator", _global_noise, "global"),
    ],
    "attention_by_distance": [
        ("all queries", _attention(reduce=lambda d, n: d.sum(-1) / n), "divided by all"),
        ("sums", _attention(reduce=lambda d, n: d.sum(-1)), "sums over queries"),
        ("the last query", _attention(reduce=lambda d, n: d[..., -1]), "Only the last query"),
        ("positions", lambda pattern: pattern.mean((0, 2)), "each *position*"),
        ("backwards", _attention(answer=lambda rows: torch.stack(rows[::-1], -1)), "backwards"),
        ("no heads", _attention(mean=lambda pattern: pattern.mean((0, 1))), "heads were averaged"),
        ("turned", _attention(answer=lambda rows: torch.stack(rows)), "turn them round"),
        ("texts apart", _attention(mean=lambda pattern: pattern), "mean over the batch"),
        ("later keys", _attention(sign=1), "*after* the query"),
    ],
    "recorded": [
        ("the untrained one", {"trained": "A", "k": 9}, "lost any"),
        ("the forgetful one", {"trained": "B", "k": 9}, "last token"),
        ("one too small", {"trained": "C", "k": 8}, "one too small"),
        ("too long", {"trained": "C", "k": 12}, "does not remember 12"),
        ("half a token", {"trained": "C", "k": 8.5}, "whole number"),
        ("no recording", {"trained": "D", "k": 9}, "no recording"),
        ("three things", ("C", 9, 9), "dictionary"),
        ("the pair turned", (9, "C"), "no recording"),
        ("a letter alone", "C", "dictionary"),
        ("a pair, too short", ("C", 7), "does not remember 7"),
    ],
}

RIGHT = {
    "beliefs": [("loops", _filter_by_loops), ("divided at the end", _filter_normalised_last)],
    "read_out": [("hooks of its own", _read()), ("tuples, a plain tuple", _read_by_names)],
    "r_squared_within": [
        ("lists", _within()),
        ("one-hots, a tensor", _within_by_means),
        ("loops", _within_by_loops),
    ],
    "exchange": [
        ("two caches", _exchange_from_two_caches),
        ("pair by pair", _exchange_pair_by_pair),
    ],
    "random_part": [("other words", _random_part()), ("by position", _random_part_by_position)],
    "attention_by_distance": [("loops", _attention_by_loops), ("masks", _attention_by_masks)],
    "recorded": [
        ("a tensor", {"trained": "C", "k": torch.tensor(9)}),
        ("a float, turned", {"k": 9.0, "trained": "C"}),
        ("a pair", ("C", 9)),
        ("a list", ["C", 9]),
    ],
}
