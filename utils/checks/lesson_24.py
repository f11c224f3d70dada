"""Checks of lesson 2.4, belief states."""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=_generator(seed))


# ---- The filter ---------------------------------------------------------------------------------


def _process(n_tokens: int, n_states: int, seed: int) -> Tensor:
    """A process without any symmetry."""
    T = torch.rand(n_tokens, n_states, n_states, generator=_generator(seed)).double() ** 3 + 0.01
    return T / T.sum((0, 2))[None, :, None]


def _stationary(T: Tensor) -> Tensor:
    return torch.linalg.matrix_power(T.sum(0), 2000)[0]


def _filtered(
    tokens: Tensor,
    T: Tensor,
    *,
    start: Tensor | None = None,
    step: Callable = lambda belief, M: belief @ M,
    normal: Callable = lambda joint, M: joint / joint.sum(),
    forget: bool = False,
    before: bool = False,
) -> Tensor:
    rows = []
    for row in tokens.tolist():
        first = _stationary(T) if start is None else start
        belief, found = first, []
        for token in row:
            found.append(belief)
            joint = step(first if forget else belief, T[token])
            belief = normal(joint, T[token])
        rows.append(torch.stack(found if before else [*found[1:], belief]))
    return torch.stack(rows)


@exercise("data.beliefs.task.beliefs")
def check_beliefs(beliefs) -> str:
    """Processes without symmetry, whose stationary belief is not even; then one sequence."""
    for n_tokens, n_states, batch, length in ((2, 3, 4, 14), (3, 4, 1, 3)):
        T = _process(n_tokens, n_states, seed=n_states)
        tokens = torch.randint(n_tokens, (batch, length), generator=_generator(1))
        tokens[0, :2] = torch.tensor([1, 0])
        right = _filtered(tokens, T)
        unit = torch.ones(n_states).double()
        match(
            beliefs(tokens, T),
            right,
            what="The beliefs",
            mistakes={
                "You start with an even belief; before the first token it is `stationary(T)`.": (
                    _filtered(tokens, T, start=unit / n_states)
                ),
                "Not normalised: divide each belief by its sum, which is the probability of the "
                "token.": _filtered(tokens, T, normal=lambda joint, M: joint),
                "Transposed: `T[a]` is [from, to], so a belief, as a row, stands on its left.": (
                    _filtered(tokens, T, step=lambda belief, M: M @ belief)
                ),
                "Those are the beliefs *before* each token: keep what it becomes after it.": (
                    _filtered(tokens, T, before=True)
                ),
                "Each token is read on its own: carry the belief from position to position.": (
                    _filtered(tokens, T, forget=True)
                ),
                "The state has not moved: you weighed where the process *was*. `T[a]` holds the "
                "move too: use all of it.": _filtered(
                    tokens, T, step=lambda belief, M: belief * M.sum(1)
                ),
                "The old belief should be multiplied by the *matrix* `T[a]`, not entry by entry.": (
                    _filtered(tokens, T, step=lambda belief, M: belief * M.sum(0))
                ),
                "The token is ignored: that is where the process goes, whatever it emits.": (
                    _filtered(tokens, T, step=lambda belief, M, T=T: belief @ T.sum(0))
                ),
                "A softmax is no Bayes' rule: divide by the sum.": _filtered(
                    tokens, T, normal=lambda joint, M: joint.softmax(-1)
                ),
                "Every sequence got the tokens of the first.": right[:1].expand_as(right)
                if batch > 1
                else right[:, :0],
                "The tokens are read from the last to the first.": _filtered(tokens.flip(1), T),
                "That is the belief after the last token alone: return the belief after each.": (
                    right[:, -1]
                ),
                "The axes are [pos, batch, state]: stack along `dim=1`.": right.transpose(0, 1),
                "The start is among the beliefs: there is one for each token.": torch.cat(
                    [_stationary(T).expand(batch, 1, -1), right], dim=1
                ),
            },
        )
    return "Bayes' rule, token by token: move and evidence at once, then normalise."


# ---- The readout --------------------------------------------------------------------------------


def _ridge(x: Tensor, y: Tensor, new: Tensor, penalty: float = 1e-3) -> Tensor:
    x, y, new = x.double(), y.double(), new.double()
    centred = x - x.mean(0)
    gram = centred.T @ centred + penalty * torch.eye(x.shape[1]).double()
    weights = torch.linalg.solve(gram, centred.T @ (y - y.mean(0)))
    return (new - x.mean(0)) @ weights + y.mean(0)


def _r2(predicted: Tensor, y: Tensor) -> float:
    return float(1 - (predicted - y).pow(2).sum() / (y - y.mean(0)).pow(2).sum())


@exercise("utils.reading.beliefs.read_out")
def check_read_out(read_out) -> str:
    """Two splits in no order, and targets that do not vary alike."""
    for n, d, targets, seed in ((80, 5, 2, 0), (61, 7, 3, 20)):
        x = _random(n, d, seed=seed + 3)
        noise = 0.7 * _random(n, targets, seed=seed + 5)
        scale = torch.arange(1, targets + 1) ** 2
        y = (x @ _random(d, targets, seed=seed + 4) / 2 + noise * scale + 1).double()
        held_out = torch.rand(n, generator=_generator(seed + 6)) < 0.4
        held_out[:2] = torch.tensor([True, False])
        fit, out = ~held_out, held_out
        got = read_out(x, y, held_out)
        expect(
            got is not None,
            "The result came back as None: does every path of the function `return`?",
        )
        expect(
            hasattr(got, "predicted") and hasattr(got, "r2"),
            "Return `Reading(predicted, r2)`, not "
            + described(got)
            + ": the lesson goes on with its `.predicted` and its `.r2`.",
        )
        right = _ridge(x[fit], y[fit], x[out])
        wrong = (right - y[out]).pow(2).sum(0)
        spread = (y[out] - y[out].mean(0)).pow(2).sum(0)
        match(
            got.predicted,
            right,
            what="What is predicted",
            mistakes={
                "The map was fitted on all rows, those held out among them.": _ridge(x, y, x[out]),
                "The map was fitted on the held-out rows: fit on the others.": _ridge(
                    x[out], y[out], x[out]
                ),
                "That is predicted for all rows: for the held-out ones alone.": _ridge(
                    x[fit], y[fit], x
                ),
                "That is predicted for the rows that were fitted to.": _ridge(
                    x[fit], y[fit], x[fit]
                ),
                "The two sides are exchanged: `held_out` is True where nothing is fitted.": _ridge(
                    x[out], y[out], x[fit]
                ),
                "That is the true `y` of the held-out rows: predict it from `x`.": y[out],
            },
        )
        match(
            got.r2,
            _r2(right, y[out]),
            what="The R2",
            mistakes={
                "That is the R2 on the rows that were fitted to: take the held-out ones.": _r2(
                    _ridge(x[fit], y[fit], x[fit]), y[fit]
                ),
                "That is the R2 over all rows: take the held-out ones.": _r2(
                    _ridge(x[fit], y[fit], x), y
                ),
                "The two arguments of `r_squared` are exchanged: what is predicted comes first.": (
                    _r2(y[out], right)
                ),
                "That is the mean of an R2 for each target: `r_squared` is over all targets "
                "together.": float((1 - wrong / spread).mean()),
                "There is an R2 for each target: return one number, over all targets together.": (
                    1 - wrong / spread
                ),
                "That is the mean squared error: return R2.": float((right - y[out]).pow(2).mean()),
            },
        )
    return "Fitted on one side, and scored on the other."


# ---- Within bins --------------------------------------------------------------------------------


def _bins(next_token: Tensor, n_bins: int) -> list[Tensor]:
    order = sorted(range(len(next_token)), key=lambda i: next_token[i].item())
    size, more = divmod(len(order), n_bins)
    ends = [0]
    for i in range(n_bins):
        ends.append(ends[-1] + size + (i < more))
    return [torch.tensor(order[a:b]) for a, b in zip(ends, ends[1:], strict=False)]


@exercise("utils.reading.beliefs.r_squared_within")
def check_r_squared_within(r_squared_within) -> str:
    """Rows in no order, bins that are not equally long, and two numbers of bins."""
    for n, n_bins, seed in ((23, 5, 0), (31, 4, 10)):
        next_token = torch.rand(n, generator=_generator(seed)) ** 2
        truth = _random(n, 3, seed=seed + 1).double() + 2 * next_token[:, None].double()
        predicted = truth + 0.6 * _random(n, 3, seed=seed + 2).double() + 0.1

        def ratio(
            bins: Sequence[Tensor],
            truth: Tensor = truth,
            predicted: Tensor = predicted,
            centre: Callable = lambda rows, values: values[rows].mean(0),
        ) -> tuple[list[Tensor], list[Tensor]]:
            wrong = [(predicted[rows] - truth[rows]).pow(2) for rows in bins]
            left = [(truth[rows] - centre(rows, truth)).pow(2) for rows in bins]
            return wrong, left

        def total(parts: Sequence[Tensor]) -> float:
            return float(sum(part.sum() for part in parts))

        bins = _bins(next_token, n_bins)
        wrong, left = ratio(bins)
        unsorted = list(torch.arange(n).tensor_split(n_bins))
        edges = torch.linspace(next_token.min(), next_token.max(), n_bins + 1)[1:-1]
        place = torch.bucketize(next_token, edges)
        wide = [(place == i).nonzero()[:, 0] for i in range(n_bins) if (place == i).any()]
        own = [
            ((predicted[rows] - predicted[rows].mean(0)) - (truth[rows] - truth[rows].mean(0)))
            for rows in bins
        ]

        def against(bins: Sequence[Tensor], ratio: Callable = ratio, total=total) -> float:
            wrong, left = ratio(bins)
            return 1 - total(wrong) / total(left)

        every = torch.arange(n)
        in_order = next_token.argsort()
        got = r_squared_within(predicted, truth, next_token, n_bins=n_bins)
        number = torch.as_tensor(got) if isinstance(got, (float, Tensor)) else torch.zeros(1)
        expect(
            bool(number.isfinite().all()),
            "The result is not finite: do bins hold fewer than two rows? Cut into `n_bins` bins, "
            f"which is {n_bins} here.",
        )
        match(
            got,
            against(bins),
            what="The R2 within bins",
            mistakes={
                "That is the R2 over all rows: compare with the mean of each *bin*.": against(
                    [every]
                ),
                "The rows are not in order of `next_token`: bins of neighbours in the table say "
                "nothing about the prediction.": against(unsorted),
                "The bins are those of `chunk`, of other sizes: use `tensor_split`.": against(
                    list(in_order.chunk(n_bins))
                ),
                "The rows were sorted the other way round before they were cut: in the order of "
                "`next_token`, from low to high.": against(
                    list(in_order.flip(0).tensor_split(n_bins))
                ),
                "The bins are equally wide; they should hold equally many rows: sort, then cut.": (
                    against(wide)
                ),
                "That is the mean over bins of an R2 for each: add up both sums first, and divide "
                "once.": sum(1 - float(a.sum() / b.sum()) for a, b in zip(wrong, left, strict=True))
                / n_bins,
                "That is the ratio: take it from 1.": total(wrong) / total(left),
                "The ratio is upside down: errors over what there is to explain.": 1
                - total(left) / total(wrong),
                "The bins' means of `predicted` were taken off too, which forgives its errors "
                "between bins.": 1 - total([each.pow(2) for each in own]) / total(left),
                "What there is to explain was measured from the mean of `predicted`: take the "
                "mean of `truth` in the bin.": 1
                - total(wrong) / total([(truth[r] - predicted[r].mean(0)).pow(2) for r in bins]),
                "The mean of a bin was taken over states too: a mean for each state, `.mean(0)`.": 1
                - total(wrong) / total([(truth[r] - truth[r].mean()).pow(2) for r in bins]),
                "The squares are missing: you added absolute errors.": 1
                - total([each.sqrt() for each in wrong]) / total([each.sqrt() for each in left]),
                "That is the mean over states of an R2 for each: sum over rows and states, and "
                "divide once.": float(
                    (1 - sum(a.sum(0) for a in wrong) / sum(b.sum(0) for b in left)).mean()
                ),
            },
        )
    return "What the prediction already says is taken out of the variance."


# ---- Planes -------------------------------------------------------------------------------------


def _projected(difference: Tensor, planes: Mapping[int, Tensor]) -> Tensor:
    found = torch.zeros_like(difference)
    for at, columns in planes.items():
        columns = columns.to(difference)
        found[:, at] = difference[:, at] @ columns @ torch.linalg.pinv(columns)
    return found


def _planes(d: int, sizes: Mapping[int, int], seed: int) -> dict[int, Tensor]:
    """Columns of several lengths, far from right angles."""
    shared = _random(d, 1, seed=seed)
    return {
        at: (_random(d, k, seed=seed + at + 1) + shared) * torch.arange(1, k + 1) / 2
        for at, k in sizes.items()
    }


# ---- Exchanging ---------------------------------------------------------------------------------


def _tiny() -> TransformerBridge:
    """Two layers with large random weights: every change is seen."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 2,
            "n_heads": 2,
            "d_head": 4,
            "d_model": 8,
            "d_mlp": 12,
            "d_vocab": 5,
            "n_ctx": 7,
            "normalization_type": "LNPre",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = _generator(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.6 * torch.randn(weight.shape, generator=random))
    return model.eval()


def _shares(difference: Tensor) -> Tensor:
    """A part that no simpler one looks like: not linear, and it looks at all pairs together."""
    shares = torch.linspace(0.1, 1.3, difference[0].numel()).view(difference[0].shape)
    return (difference.tanh() + 0.5 * (difference - difference.mean(0))) * shares


@exercise("utils.reading.beliefs.exchange")
def check_exchange(exchange) -> str:
    """A tiny transformer, at two layers, with a part that depends on position and on all pairs."""
    model = _tiny()
    rows = torch.randint(5, (3, 6), generator=_generator(4))
    partners = torch.randint(5, (3, 6), generator=_generator(5))

    def stream(tokens: Tensor, name: str) -> Tensor:
        with torch.no_grad():
            return model.run_with_cache(tokens, names_filter=[name])[1][name]

    def changed(tokens: Tensor, name: str, change: Callable, answer: Callable) -> Tensor:
        with torch.no_grad():
            hooks = [(name, lambda resid, hook: change(resid))]
            return answer(model.run_with_hooks(tokens, fwd_hooks=hooks))

    def softmax(logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    for layer, part in ((1, _shares), (0, _shares), (1, lambda difference: difference)):
        name = f"blocks.{layer}.hook_resid_pre"
        own, theirs = stream(rows, name), stream(partners, name)
        add = part(theirs - own)
        right = changed(rows, name, lambda r, add=add: r + add, softmax)
        plain = changed(rows, name, lambda r: r, softmax)
        other = f"blocks.{1 - layer}.hook_resid_pre"
        elsewhere = part(stream(partners, other) - stream(rows, other))
        after = f"blocks.{layer}.hook_resid_post"
        late = part(stream(partners, after) - stream(rows, after))
        mistakes = {
            "Nothing has changed: does the hook return the new stream?": plain,
            "The sign: *add* the `part` of the partners' stream minus that of `rows`.": changed(
                rows, name, lambda r, own=own, theirs=theirs, p=part: r + p(own - theirs), softmax
            ),
            "The stream became the part alone: add it to the row's own stream.": changed(
                rows, name, lambda r, add=add: add, softmax
            ),
            "`part` got the partners' stream: it wants the *difference*.": changed(
                rows, name, lambda r, theirs=theirs, p=part: r + p(theirs), softmax
            ),
            "`part` need not be linear: give it the difference itself, and not the two streams one "
            "after the other.": changed(
                rows, name, lambda r, o=own, t=theirs, p=part: r + p(t) - p(o), softmax
            ),
            "All of the partners' stream was exchanged: only `part(difference)` is added.": changed(
                rows, name, lambda r, theirs=theirs: theirs, softmax
            ),
            "The change is at another layer: before block `layer` is "
            '`f"blocks.{layer}.hook_resid_pre"`.': changed(
                rows, other, lambda r, add=elsewhere: r + add, softmax
            ),
            "The change is *after* block `layer`: before it is `hook_resid_pre`.": changed(
                rows, after, lambda r, add=late: r + add, softmax
            ),
            "The roles are exchanged: `rows` are read with a part of `partners`, not the other "
            "way round.": changed(
                partners,
                name,
                lambda r, own=own, theirs=theirs, p=part: r + p(own - theirs),
                softmax,
            ),
            "The model read `partners`: the change belongs into its reading of `rows`.": changed(
                partners, name, lambda r, add=add: r + add, softmax
            ),
            "Those are logits: return probabilities, `.softmax(-1)`.": changed(
                rows, name, lambda r, add=add: r + add, lambda logits: logits
            ),
            "Those are log-probabilities: return probabilities.": changed(
                rows, name, lambda r, add=add: r + add, lambda logits: logits.log_softmax(-1)
            ),
            "That is the change of the probabilities: return the probabilities themselves.": (
                right - plain
            ),
            "Only the last position came back: return the probabilities at every position.": (
                right[:, -1]
            ),
        }
        distinct = {
            message: value
            for message, value in mistakes.items()
            if value.shape != right.shape or not torch.allclose(value, right, atol=1e-4)
        }
        calls: list[int] = []

        def counted(difference: Tensor, part: Callable = part, calls: list[int] = calls) -> Tensor:
            calls.append(len(difference))
            return part(difference)

        got = exchange(model, rows, partners, counted, layer=layer)
        expect(
            not calls or max(calls) == len(rows),
            "`part` was called on some of the pairs: it may look at all of them together, so call "
            "it once, on the difference of all.",
        )
        match(got, right, what="The probabilities", mistakes=distinct)
        expect(
            len(calls) == 1,
            f"`part` was called {len(calls)} times: it may draw at random, so call it once.",
        )
        expect(
            isinstance(got, Tensor) and not got.requires_grad,
            "The result has a gradient, which keeps all of the run in memory: run the model under "
            "`torch.no_grad()`.",
        )
    return "One run to keep the partners' stream, one to put a part of it in."


# ---- The recordings -----------------------------------------------------------------------------

RECORDED = {"A": "untrained", "B": "forgets", "C": "trained"}


@investigation("recorded", course=RECORDED)
def check_recorded(answer) -> str:
    """Whose each of three recordings is."""
    if isinstance(answer, Sequence) and not isinstance(answer, str) and len(answer) == 3:
        answer = dict(zip("ABC", answer, strict=True))
    expect(
        isinstance(answer, Mapping) and set(answer) == set(RECORDED),
        'Give a dictionary from "A", "B" and "C" to "trained", "untrained" or "forgets".',
    )
    kinds = sorted(RECORDED.values())
    for letter, who in answer.items():
        expect(
            isinstance(who, str) and who in kinds,
            f'{letter!r} has {who!r}: say "trained", "untrained" or "forgets".',
        )
    expect(
        sorted(answer.values()) == kinds,
        "One of each: trained, untrained, and one that forgets.",
    )
    expect(
        answer["B"] == "forgets",
        "Which one forgets? It knows nothing of the token 15 back, and hardly the last one.",
    )
    expect(
        answer["A"] == "untrained",
        "The one that forgets is right, and the other two are the wrong way round. A random "
        "mixture keeps all tokens. Which tokens would training drop from a stream?",
    )
    return "A trained model drops tokens, a random mixture keeps all."


# ---- Attention ----------------------------------------------------------------------------------


@exercise("utils.reading.beliefs.attention_by_distance")
def check_attention_by_distance(attention_by_distance) -> str:
    """Random causal patterns; means are made one by one."""
    for batch, heads, n, seed in ((3, 2, 5, 8), (1, 3, 4, 9)):
        scores = _random(batch, heads, n, n, seed=seed) * 2
        pattern = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf).softmax(-1)

        def mean(
            count: Callable, pick: Callable = lambda q: True, pattern=pattern, n=n, heads=heads
        ):
            rows = []
            for head in range(heads):
                row = []
                for distance in range(n):
                    queries = [q for q in range(distance, n) if pick(q)]
                    values = [pattern[:, head, q, q - distance] for q in queries]
                    total = float(sum(each.mean() for each in values)) if values else 0.0
                    row.append(total / count(len(queries)))
                rows.append(row)
            return torch.tensor(rows)

        right = mean(lambda found: found)
        match(
            attention_by_distance(pattern),
            right,
            what="The attention by distance",
            mistakes={
                "Early queries, which have no token so far back, are counted (with zeros, or with "
                "what `roll` brings round): leave them out of the mean.": mean(
                    lambda found, n=n: n
                ),
                "Those are sums over queries: take means.": mean(lambda found: 1),
                "Only the last query is in it: take the mean over all that have a token so far "
                "back.": mean(lambda found: 1, lambda q, n=n: q == n - 1),
                "That is the mean attention to each *position*: count backwards from the query.": (
                    pattern.mean((0, 2))
                ),
                "The distances run backwards: 0 is the token itself.": right.flip(-1),
                "The heads were averaged: each has its own row.": right.mean(0),
                "The axes are [distance, head]: turn them round.": right.T,
                "Each text has a row of its own: take the mean over the batch.": torch.stack(
                    [
                        torch.stack(
                            [one.diagonal(-k, dim1=-2, dim2=-1).mean(-1) for k in range(n)], -1
                        )
                        for one in pattern
                    ]
                ),
                "Those are keys *after* the query: it attends to tokens before it.": (
                    torch.stack(
                        [pattern.mean(0).diagonal(k, dim1=-2, dim2=-1).mean(-1) for k in range(n)],
                        -1,
                    )
                ),
            },
        )
    return "Diagonals of the pattern, each with as many queries as it has."


# ---- Exchange by distance -----------------------------------------------------------------------


def _by_distance(
    model,
    pairs: SimpleNamespace,
    planes: Mapping[int, Tensor],
    *,
    layer: int,
    distances: Sequence[int],
    where: Callable = lambda t, distance: {t - distance: t - distance},
    token: int = 1,
    whole: bool = False,
    plain: bool = True,
    slope: Callable = lambda x, y: (x * y).sum() / (x * x).sum(),
) -> Tensor:
    """`where` gives, for a prediction, which positions are exchanged along which plane."""
    name = f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        own, theirs = (
            model.run_with_cache(each, names_filter=[name])[1][name]
            for each in (pairs.rows, pairs.partners)
        )
        before = model(pairs.rows).softmax(-1)
        found = []
        for distance in distances:
            changes = []
            for t in range(pairs.at + 1, pairs.rows.shape[1]):
                chosen = {at: planes[plane] for at, plane in where(t, distance).items()}
                add = _projected(theirs - own, chosen)
                if whole:
                    for at in chosen:
                        add[:, at] = (theirs - own)[:, at]
                hooks = [(name, lambda resid, hook, add=add: resid + add)]
                after = model.run_with_hooks(pairs.rows, fwd_hooks=hooks).softmax(-1)
                changes.append((after - plain * before)[:, t, token])
            found.append(slope(pairs.ideal, torch.stack(changes, 1).double()))
    return torch.stack(found)


@exercise("utils.reading.beliefs.follows_by_distance")
def check_follows_by_distance(follows_by_distance) -> str:
    """A tiny transformer with another plane at each position, and ideal changes at random."""
    model = _tiny()
    rows = torch.randint(5, (6, 7), generator=_generator(6))
    partners = rows.clone()
    partners[:, :3] = torch.randint(5, (6, 3), generator=_generator(7))
    ideal = 0.2 * _random(6, 3, seed=8).double()
    pairs = SimpleNamespace(rows=rows, partners=partners, ideal=ideal, at=3)
    planes = _planes(8, dict.fromkeys(range(7), 2), 9)
    for layer, distances in ((1, [1, 3, 4]), (0, [2, 4])):

        def planted(layer=layer, distances=distances, **how) -> Tensor:
            return _by_distance(model, pairs, planes, layer=layer, distances=distances, **how)

        turned = SimpleNamespace(rows=partners, partners=rows, ideal=ideal, at=3)
        right = planted()
        mistakes = {
            "All positions from there to t - 1 were exchanged: only the one at t - distance.": (
                planted(where=lambda t, k: {i: i for i in range(t - k, t)})
            ),
            "All positions up to t - distance were exchanged: only that one.": planted(
                where=lambda t, k: {i: i for i in range(t - k + 1)}
            ),
            "The distance is counted from `pairs.at`: count it back from each t.": planted(
                where=lambda t, k: {4 - k: 4 - k}
            ),
            "The plane is the one of `pairs.at`: each position has its own.": planted(
                where=lambda t, k: {t - k: 3}
            ),
            "The plane is the one of position t: take that of the position exchanged.": planted(
                where=lambda t, k: {t - k: t}
            ),
            "That is P(token 0): take token 1.": planted(token=0),
            "All of the stream was exchanged: only its part in the plane.": planted(whole=True),
            "Those are slopes of the probabilities: take off what they were without an exchange.": (
                planted(plain=False)
            ),
            "That is the mean of a slope for each later position: one slope over all of them.": (
                planted(slope=lambda x, y: ((x * y).sum(0) / (x * x).sum(0)).mean())
            ),
            "The slope is upside down: the model's change over the ideal one.": planted(
                slope=lambda x, y: (x * y).sum() / (y * y).sum()
            ),
            "The roles are exchanged: `rows` are read, with a part of `partners`.": _by_distance(
                model, turned, planes, layer=layer, distances=distances
            ),
            "The exchange is at another layer.": planted(layer=1 - layer),
            "The distances are one too small.": planted(distances=[k - 1 for k in distances]),
        }
        distinct = {
            message: value
            for message, value in mistakes.items()
            if value.shape != right.shape or not torch.allclose(value, right, atol=1e-4)
        }
        match(
            follows_by_distance(model, pairs, planes, layer=layer, distances=distances),
            right,
            what="The slopes",
            mistakes=distinct,
        )
    return "One exchange for each distance and each later position."
