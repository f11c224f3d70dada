"""Checks of lesson 2.4, belief states."""

from collections.abc import Callable, Mapping, Sequence

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
    for n_tokens, n_states, batch, length in ((2, 3, 4, 5), (3, 4, 1, 3)):
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
    """Rows with repeated contexts, in no order; an odd number of contexts."""
    kinds = torch.cartesian_prod(*[torch.arange(3)] * 3)[
        torch.randperm(27, generator=_generator(0))[:23]
    ]
    extra = torch.randint(23, (57,), generator=_generator(1))
    contexts = torch.cat([kinds, kinds[extra]])[torch.randperm(80, generator=_generator(2))]
    x = _random(80, 5, seed=3)
    y = (x @ _random(5, 2, seed=4) + 0.7 * _random(80, 2, seed=5)).double() * torch.tensor([1, 3])
    found = []
    for seed in (0, 0, 1):
        got = read_out(x, y, contexts, generator=_generator(seed))
        expect(
            isinstance(got, Sequence) and len(got) == 3,
            "Return three things, `Reading(held_out, predicted, r2)`, not " + described(got) + ".",
        )
        held_out, predicted, r2 = got
        expect(
            isinstance(held_out, Tensor) and held_out.shape == (80,),
            "`held_out` should have one entry for each row of `x`, (80,) here, and is "
            + described(held_out)
            + ".",
        )
        expect(
            held_out.dtype == torch.bool,
            "`held_out` should be boolean, True for the rows that were not fitted to.",
        )
        on_both = any(
            bool(held_out[same].any()) and not bool(held_out[same].all())
            for same in ((contexts == kind).all(-1) for kind in kinds)
        )
        expect(
            not on_both,
            "A context has rows on both sides, so the test repeats what was fitted. Draw different "
            "contexts, not rows.",
        )
        n = sum(bool(held_out[(contexts == kind).all(-1)].any()) for kind in kinds)
        expect(
            n == 11,
            f"{n} of 23 different contexts are held out, and half of them, rounded down, is 11. "
            "Is `held_out` turned round, or half of the *rows* taken?",
        )
        fit, out = ~held_out, held_out
        right = _ridge(x[fit], y[fit], x[out])
        match(
            predicted,
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
                "That is the true `y` of the held-out rows: predict it from `x`.": y[out],
            },
        )
        match(
            r2,
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
            },
        )
        found.append(held_out)
    expect(
        torch.equal(found[0], found[1]),
        "The same generator gave two different splits: draw from `generator` alone.",
    )
    expect(
        not torch.equal(found[0], found[2]),
        "Another generator gave the same split: which contexts are held out should be drawn.",
    )
    return "No context on both sides, and the R2 on what was not fitted."


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
        match(
            r_squared_within(predicted, truth, next_token, n_bins=n_bins),
            against(bins),
            what="The R2 within bins",
            mistakes={
                "That is the R2 over all rows: compare with the mean of each *bin*.": against(
                    [every]
                ),
                "The rows are not in order of `next_token`: bins of neighbours in the table say "
                "nothing about the prediction.": against(unsorted),
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


def _half(difference: Tensor) -> Tensor:
    """A part that no simpler one looks like: another share for each position and entry."""
    shares = torch.linspace(0.1, 1.3, difference[0].numel()).view(difference[0].shape)
    return difference * shares


@exercise("utils.reading.beliefs.exchange")
def check_exchange(exchange) -> str:
    """A tiny transformer, at two layers, with a part that depends on the position."""
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

    for layer, part in ((1, _half), (0, _half), (1, lambda difference: difference)):
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
        got = exchange(model, rows, partners, part, layer=layer)
        match(got, right, what="The probabilities", mistakes=distinct)
        expect(
            isinstance(got, Tensor) and not got.requires_grad,
            "The result has a gradient, which keeps all of the run in memory: run the model under "
            "`torch.no_grad()`.",
        )
    return "One run to keep the partners' stream, one to put a part of it in."


# ---- The control --------------------------------------------------------------------------------


@exercise("utils.reading.beliefs.random_part")
def check_random_part(random_part) -> str:
    """Many pairs, so that a plane can be told from a direction for each; two positions."""
    d = 40
    difference = _random(12, 5, d, seed=6) * torch.linspace(0.5, 2, 12)[:, None, None]
    planes = _planes(d, {1: 2, 3: 2}, 7)
    planes[3] = planes[3].double()
    right = _projected(difference, planes)
    lengths = right.norm(dim=-1)
    found = []
    for seed in (0, 0, 1):
        got = random_part(difference, planes, generator=_generator(seed))
        expect(
            isinstance(got, Tensor) and got.shape == difference.shape,
            f"Return a tensor of the shape of `difference`, {tuple(difference.shape)}, not "
            f"{described(got)}.",
        )
        got = got.detach().float()
        expect(
            bool(got.isfinite().all()),
            "The part holds NaN or infinity: where there is no plane, lengths are zero. Divide by "
            "`.clamp(min=1e-9)`.",
        )
        outside = [i for i in range(5) if i not in planes]
        expect(
            not got[:, outside].any(),
            "Something is changed at a position without a plane: there the control is zero too.",
        )
        expect(
            not torch.allclose(got, right, atol=1e-4),
            "That is the part in the belief planes themselves: draw planes of random columns.",
        )
        for at in planes:
            rows = got[:, at]
            own = rows.norm(dim=-1)
            if not torch.allclose(own, lengths[:, at], rtol=1e-3, atol=1e-4):
                whole = difference[:, at].norm(dim=-1)
                if torch.allclose(own, whole, rtol=1e-3):
                    message = (
                        "The parts are as long as the whole difference: they should be as long "
                        "as its part in the belief plane."
                    )
                elif torch.allclose(own, own[0].expand_as(own), rtol=1e-3):
                    message = (
                        "All pairs got a part of the same length: each pair's is that of its own "
                        "part in the belief plane."
                    )
                else:
                    message = (
                        "A pair's part is not as long as its part in the belief plane: scale it, "
                        "pair by pair, by the ratio of the two lengths."
                    )
                expect(False, message)
            _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
            expect(
                bool(sizes[2] < 1e-3 * sizes[0]),
                "Each pair was changed along a direction of its own: at one position, all pairs "
                "share one random plane.",
            )
            expect(
                bool(sizes[1] > 1e-2 * sizes[0]),
                "All pairs were changed along one line: a plane here has two directions, as many "
                "columns as in `planes`.",
            )
            basis = basis[:2]
            back = difference[:, at] @ basis.T @ basis
            along = torch.cosine_similarity(back, rows)
            expect(
                bool((along.abs() > 0.999).all()),
                "The control lies in a random plane, but is not the part of `difference` in it: "
                "project, as `plane_part` does, then scale.",
            )
            expect(
                bool((along > 0).all()),
                "The sign is turned round: lengths are scaled by a positive number.",
            )
            ones = torch.full((d,), d**-0.5)
            expect(
                bool((basis @ ones).norm() < 0.75),
                "The columns are not centred at 0, so that all planes share a direction: draw them "
                "with `torch.randn`.",
            )
            belief = torch.linalg.qr(planes[at].float()).Q
            expect(
                bool((basis @ belief).norm() < 1.2),
                "The random plane is nearly the belief plane: draw its columns from the generator "
                "alone.",
            )
        both = [torch.linalg.svd(got[:, at], full_matrices=False)[2][:2] for at in planes]
        expect(
            bool((both[0] @ both[1].T).norm() < 1.2),
            "Both positions got the same plane: draw one for each.",
        )
        found.append(got)
    expect(
        torch.allclose(found[0], found[1]),
        "The same generator gave two different controls: draw from `generator` alone.",
    )
    expect(
        not torch.allclose(found[0], found[2]),
        "Another generator gave the same control: draw from `generator`.",
    )
    return "As long, pair by pair, and along other directions."


# ---- The recordings -----------------------------------------------------------------------------

RECORDED = {"trained": "C", "k": 9}


@investigation("recorded", course=RECORDED)
def check_recorded(answer) -> str:
    """Which recording is the trained model's, and how long the forgetful observer's memory is."""
    if isinstance(answer, Sequence) and not isinstance(answer, str) and len(answer) == 2:
        answer = dict(zip(("trained", "k"), answer, strict=True))
    expect(
        isinstance(answer, Mapping) and set(answer) == {"trained", "k"},
        'Give a dictionary with "trained", a letter, and "k", a number; or that pair.',
    )
    letter, k = answer["trained"], answer["k"]
    expect(letter in ("A", "B", "C"), f"{letter!r} is no recording: they are A, B and C.")
    if letter == "A":
        expect(False, "Not A. Read the token 12 back from it: has it lost any of it?")
    if letter == "B":
        expect(False, "Not B. Read the last token from it: a transformer's stream holds it.")
    k = torch.as_tensor(k)
    expect(k.numel() == 1 and float(k).is_integer(), "`k` is one whole number.")
    expect(
        int(k) != RECORDED["k"] - 1,
        "The token `k` positions back is the one *before* the last `k`, for `0` is the last: "
        "is your `k` one too small?",
    )
    expect(
        int(k) == RECORDED["k"],
        f"The observer does not remember {int(k)} tokens: read the belief from that recording, and "
        "compare with `remembered`; or read the tokens around that many back.",
    )
    return "The trained model drops tokens, the forgetful observer all that are old."


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
                "You divided by all queries: early ones have no token so far back, and should not "
                "count.": mean(lambda found, n=n: n),
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
