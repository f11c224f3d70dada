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


def _anew(tokens, T):
    """Starts again after every five tokens."""
    from data.beliefs.task import beliefs

    return torch.cat([beliefs(some, T) for some in tokens.split(5, dim=1)], dim=1)


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
    fit=lambda held: ~held,
    predict=lambda held: held,
    score=lambda predicted, y, held: r_squared(predicted, y[held]),
    answer=reading.Reading,
):
    def read_out(x, y, held_out):
        rows = fit(held_out)
        fitted = ridge(x[rows], y[rows], penalty=1e-3)
        predicted = fitted(x[predict(held_out)])
        return answer(predicted, score(predicted, y, held_out))

    return read_out


def _read_written_out(x, y, held_out):
    """Least squares of centred rows, by hand; R2 as a tensor."""
    x, y = x.double(), y.double()
    mean, level = x[~held_out].mean(0), y[~held_out].mean(0)
    a = x[~held_out] - mean
    gram = a.T @ a + 1e-3 * torch.eye(x.shape[1]).double()
    predicted = (x[held_out] - mean) @ torch.linalg.inv(gram) @ a.T @ (y[~held_out] - level) + level
    right = y[held_out]
    wrong = ((predicted - right) ** 2).sum()
    return reading.Reading(predicted, 1 - wrong / ((right - right.mean(0)) ** 2).sum())


def _by_numbers(x, y, held_out):
    """Row numbers in place of a mask."""
    test, train = held_out.nonzero()[:, 0], (~held_out).nonzero()[:, 0]
    predicted = ridge(x[train], y[train], penalty=1e-3)(x[test])
    return reading.Reading(predicted=predicted, r2=r_squared(predicted, y[test]))


def _mean_over_targets(predicted, y, held):
    return sum(r_squared(predicted[:, [i]], y[held][:, [i]]) for i in range(y.shape[1])) / len(y[0])


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


# ---- Exchange by distance -----------------------------------------------------------------------


def _by_distance(
    *,
    part=lambda t, k, planes, pairs: {t - k: planes[t - k]},
    token=1,
    minus=True,
    slope=lambda change, ideal: reading.follows(change, ideal).slope,
    of=reading.plane_part,
    roles=lambda pairs: (pairs.rows, pairs.partners),
    answer=torch.tensor,
):
    def follows_by_distance(model, pairs, planes, *, layer, distances):
        rows, partners = roles(pairs)
        plain = reading.exchange(model, rows, rows, torch.zeros_like, layer=layer)
        found = []
        for k in distances:
            change = torch.zeros_like(pairs.ideal)
            for column, t in enumerate(range(pairs.at + 1, rows.shape[1])):
                here = part(t, k, planes, pairs)
                after = reading.exchange(
                    model, rows, partners, lambda d, here=here: of(d, here), layer=layer
                )
                change[:, column] = (after - plain if minus else after)[:, t, token]
            found.append(slope(change, pairs.ideal))
        return answer(found)

    return follows_by_distance


def _by_distance_in_one_run(model, pairs, planes, *, layer, distances):
    """Every later position in one batch, its exchange in the row of its copy."""
    later = range(pairs.at + 1, pairs.rows.shape[1])
    n = len(pairs.rows)
    rows, partners = (x.repeat(len(later), 1) for x in (pairs.rows, pairs.partners))
    plain = model(pairs.rows).softmax(-1)[..., 1].detach().double()
    slopes = torch.zeros(len(distances))
    for j, k in enumerate(distances):

        def part(difference, k=k):
            out = torch.zeros_like(difference)
            for i, t in enumerate(later):
                here = slice(i * n, (i + 1) * n)
                out[here] = reading.plane_part(difference[here], {t - k: planes[t - k]})
            return out

        after = reading.exchange(model, rows, partners, part, layer=layer)[..., 1].double()
        change = torch.stack([after[i * n : (i + 1) * n, t] for i, t in enumerate(later)], 1)
        change = change - plain[:, list(later)]
        slopes[j] = (change * pairs.ideal).sum() / pairs.ideal.pow(2).sum()
    return slopes


def _whole(difference, planes):
    return reading.at_positions(difference, [*planes])


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


def _attention_rolled(pattern):
    n = pattern.shape[-1]
    q = torch.arange(n)
    return torch.stack([pattern[:, :, q, (q - k) % n].mean((0, 2)) for k in range(n)], -1)


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
        ("anew after five", _anew, "should be"),
    ],
    "read_out": [
        ("fitted on all", _read(fit=torch.ones_like), "fitted on all rows"),
        ("fitted on the held-out", _read(fit=lambda held: held), "fitted on the held-out"),
        (
            "sides exchanged",
            _read(
                fit=lambda held: held,
                predict=lambda held: ~held,
                score=lambda p, y, held: r_squared(p, y[~held]),
            ),
            "two sides are exchanged",
        ),
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
        ("a mean over targets", _read(score=_mean_over_targets), "mean of an R2 for each"),
        ("an error", _read(score=lambda p, y, held: float(((p - y[held]) ** 2).mean())), "squared"),
        ("a plain tuple", _read(answer=lambda p, r2: (p, r2)), "Return `Reading"),
        ("the R2 alone", _read(answer=lambda p, r2: r2), "Return `Reading"),
        ("turned", _read(answer=lambda p, r2: reading.Reading(r2, p)), "What is predicted"),
    ],
    "r_squared_within": [
        ("no bins", _within(cut=lambda p, n: [torch.arange(len(p))]), "over all rows"),
        (
            "not sorted",
            _within(cut=lambda p, n: torch.arange(len(p)).tensor_split(n)),
            "not in order",
        ),
        ("equally wide", _within(cut=_wide), "equally wide"),
        ("chunks", _within(cut=lambda p, n: p.argsort().chunk(n)), "tensor_split"),
        ("50 bins", _within(cut=lambda p, n: p.argsort().tensor_split(50)), "fewer than two rows"),
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
        ("two parts", _exchange(new=lambda r, t, part: r + part(t) - part(r)), "not be linear"),
        ("pair by pair", _exchange_pair_by_pair, "some of the pairs"),
        (
            "called twice",
            _exchange(new=lambda r, t, part: r + (part(t - r) + part(t - r)) / 2),
            "called 2 times",
        ),
    ],
    "follows_by_distance": [
        (
            "all from there on",
            _by_distance(part=lambda t, k, planes, pairs: {i: planes[i] for i in range(t - k, t)}),
            "to t - 1",
        ),
        (
            "all up to there",
            _by_distance(part=lambda t, k, planes, pairs: {i: planes[i] for i in range(t - k + 1)}),
            "up to t - distance",
        ),
        (
            "from the beginning's end",
            _by_distance(part=lambda t, k, p, pairs: {pairs.at + 1 - k: p[pairs.at + 1 - k]}),
            "counted from `pairs.at`",
        ),
        (
            "one plane",
            _by_distance(part=lambda t, k, planes, pairs: {t - k: planes[pairs.at]}),
            "each position has its own",
        ),
        (
            "the plane of t",
            _by_distance(part=lambda t, k, planes, pairs: {t - k: planes[t]}),
            "one of position t",
        ),
        ("token 0", _by_distance(token=0), "token 1"),
        ("not the change", _by_distance(minus=False), "without an exchange"),
        ("all of the stream", _by_distance(of=_whole), "All of the stream"),
        (
            "a mean of slopes",
            _by_distance(slope=lambda c, i: float(((c * i).sum(0) / (i * i).sum(0)).mean())),
            "one slope over all",
        ),
        (
            "upside down",
            _by_distance(slope=lambda c, i: float((c * i).sum() / (c * c).sum())),
            "upside down",
        ),
        ("roles", _by_distance(roles=lambda pairs: (pairs.partners, pairs.rows)), "roles"),
        (
            "the next one",
            _by_distance(part=lambda t, k, planes, pairs: {t - k + 1: planes[t - k + 1]}),
            "one too small",
        ),
        ("a list", _by_distance(answer=lambda found: found), "tensor"),
    ],
    "attention_by_distance": [
        ("all queries", _attention(reduce=lambda d, n: d.sum(-1) / n), "Early queries"),
        ("rolled", _attention_rolled, "Early queries"),
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
        (
            "trained and untrained",
            {"A": "trained", "B": "forgets", "C": "untrained"},
            "wrong way round",
        ),
        (
            "the forgetful one",
            {"A": "forgets", "B": "untrained", "C": "trained"},
            "Which one forgets",
        ),
        ("B is trained", ["untrained", "trained", "forgets"], "Which one forgets"),
        ("one twice", {"A": "trained", "B": "forgets", "C": "trained"}, "One of each"),
        ("another word", {"A": "untrained", "B": "ideal", "C": "trained"}, "'ideal'"),
        ("a number", ("untrained", 9, "trained"), "has 9"),
        ("a letter", "C", "dictionary"),
        ("a pair", ("C", "9"), "dictionary"),
        ("two letters", {"B": "forgets", "C": "trained"}, "dictionary"),
    ],
}

RIGHT = {
    "beliefs": [("loops", _filter_by_loops), ("divided at the end", _filter_normalised_last)],
    "read_out": [
        ("other words", _read()),
        ("written out", _read_written_out),
        ("row numbers", _by_numbers),
    ],
    "r_squared_within": [
        ("lists", _within()),
        ("one-hots, a tensor", _within_by_means),
        ("loops", _within_by_loops),
    ],
    "exchange": [("two caches", _exchange_from_two_caches), ("other words", _exchange())],
    "follows_by_distance": [
        ("columns", _by_distance()),
        ("one run", _by_distance_in_one_run),
    ],
    "attention_by_distance": [("loops", _attention_by_loops), ("masks", _attention_by_masks)],
    "recorded": [
        ("a list", ["untrained", "forgets", "trained"]),
        ("a tuple", ("untrained", "forgets", "trained")),
        ("turned", {"C": "trained", "A": "untrained", "B": "forgets"}),
    ],
}
