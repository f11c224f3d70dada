"""Checks of lesson 3.3, shared geometry."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described

_ORDER = ("half", "frequency", "true")


def sealed_order() -> tuple[str, ...]:
    """Which map stands under a, b and c. Printing it would spoil the investigation."""
    return _ORDER


def _random(*size: int, seed: int) -> Tensor:
    drawn = torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn


# ---- Global -------------------------------------------------------------------------------------


def _pearson(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]


def _ranks(x: torch.Tensor) -> torch.Tensor:
    return x.argsort().argsort().double()


@exercise("utils.writing.geometry.rsa")
def check_rsa(rsa) -> str:
    """Random matrices with a large mean, worked out pair by pair; then two that disagree."""
    random = torch.Generator().manual_seed(0)
    A = torch.randn(6, 3, generator=random, dtype=torch.float64) + 2.0
    B = 0.5 * torch.randn(6, 4, generator=random, dtype=torch.float64)
    B[:, :3] += A
    # Tokens by twos: alike in one model, opposite in the other.
    twos = torch.randn(2, 4, 5, generator=random, dtype=torch.float64)
    opposite = torch.cat([twos[0], -twos[0]])
    alike = torch.cat([twos[1], 1.2 * twos[1]]) + 3.0

    def cosines(E: torch.Tensor, *, centre: bool = True, length: bool = True) -> torch.Tensor:
        mean = E.sum(0) / len(E) if centre else 0
        rows = [row - mean for row in E]
        out = torch.zeros(len(E), len(E), dtype=torch.float64)
        for i, r in enumerate(rows):
            for j, s in enumerate(rows):
                scale = (r @ r).sqrt() * (s @ s).sqrt() if length else 1.0
                out[i, j] = (r @ s) / scale
        return out

    def pairs(square: torch.Tensor) -> torch.Tensor:
        return torch.stack([square[i, j] for i in range(len(square)) for j in range(i)])

    a, b = cosines(A), cosines(B)
    unit = [E / E.pow(2).sum(-1, keepdim=True).sqrt() for E in (A, B)]
    too_late = [cosines(E - E.sum(0) / len(E), centre=False, length=False) for E in unit]
    centred_axis = [cosines(E - E.mean(1, keepdim=True), centre=False) for E in (A, B)]
    one = [pairs(cosines(A)), pairs(cosines(B, centre=False))]
    match(
        rsa(A.float(), B.float()),
        _pearson(pairs(a), pairs(b)),
        what="The correlation",
        mistakes={
            "The diagonal is counted: a token's cosine with itself is 1 in both models, and "
            "raises the correlation for free.": _pearson(a, b),
            "The rows are not centred: take the mean row away from each matrix first.": _pearson(
                pairs(cosines(A, centre=False)), pairs(cosines(B, centre=False))
            ),
            "Neither centred, nor without the diagonal.": _pearson(
                cosines(A, centre=False), cosines(B, centre=False)
            ),
            "Both matrices have to be centred, and one is not.": _pearson(*one),
            "Those are inner products: divide each row by its length, for cosines.": _pearson(
                pairs(cosines(A, length=False)), pairs(cosines(B, length=False))
            ),
            "The rows were divided by their lengths before they were centred: take the mean row "
            "away first, then divide.": _pearson(pairs(too_late[0]), pairs(too_late[1])),
            "The rows were divided by their lengths before they were centred, and after. Divide "
            "once, after.": _pearson(pairs(cosines(unit[0])), pairs(cosines(unit[1]))),
            "You took each row's mean over its coordinates away. The mean *row* is the mean over "
            "tokens, `E.mean(0)`.": _pearson(pairs(centred_axis[0]), pairs(centred_axis[1])),
            "That is a cosine of the two lists of cosines. A Pearson correlation takes the mean "
            "of each list away first.": torch.nn.functional.cosine_similarity(
                pairs(a), pairs(b), dim=0
            ),
            "The diagonal was set to zero, and counted. Leave it out.": _pearson(
                a - torch.diag(a.diagonal()), b - torch.diag(b.diagonal())
            ),
            "The lower triangle was set to zero, and counted. Leave it out.": _pearson(
                a.triu(1), b.triu(1)
            ),
            "That is a covariance: divide by both spreads.": torch.cov(
                torch.stack([pairs(a), pairs(b)])
            )[0, 1],
            "That is a correlation of ranks (Spearman). Pearson's takes the values.": _pearson(
                _ranks(pairs(a)), _ranks(pairs(b))
            ),
            "That is the square of the correlation.": _pearson(pairs(a), pairs(b)) ** 2,
            "That is a table of correlations: return the one number off its diagonal.": (
                torch.corrcoef(torch.stack([pairs(a), pairs(b)]))
            ),
        },
    )
    against = _pearson(pairs(cosines(opposite)), pairs(cosines(alike)))
    match(
        rsa(opposite.float(), alike.float()),
        against,
        what="Where pairs that are alike in one model are opposite in the other, the correlation",
        mistakes={
            "The sign is lost: models may also disagree, and the correlation is then below "
            "0.": against.abs(),
            "The correlation was cut off at 0: models may also disagree.": torch.tensor(0.0),
            "Two signs are lost: a cosine may be below 0 as well.": _pearson(
                pairs(cosines(opposite)).abs(), pairs(cosines(alike)).abs()
            ),
        },
    )
    return "Centred, cosines, each pair of different tokens."


# ---- The control --------------------------------------------------------------------------------


def _paired(
    counts: Tensor,
    seed: int,
    window: int,
    *,
    order: Callable[[Tensor], Tensor] = torch.argsort,
    drawn: Callable[[int, torch.Generator], int] | None = None,
    back: bool = False,
    apart: bool = False,
    rank: bool = False,
) -> Tensor:
    """The pairing by runs, with what a mistake would change in it."""
    generator = torch.Generator().manual_seed(seed)
    places = order(counts).tolist()
    starts = list(range(0, len(places), window))
    if not apart and len(places) % window and len(starts) > 1:
        starts.pop()
    other, by = torch.empty_like(counts), 0
    for i, start in enumerate(starts):
        end = starts[i + 1] if i + 1 < len(starts) else len(places)
        run = places[start:end]
        if drawn is not None:
            by = drawn(len(run), generator)
        else:
            by = int(torch.randint(1, len(run), (1,), generator=generator)) if len(run) > 1 else 0
        for j, place in enumerate(run):
            given = run[(j + (-by if back else by)) % len(run)]
            other[start + j if rank else place] = given
    return other


@exercise("utils.writing.geometry.like_frequency")
def check_like_frequency(like_frequency) -> str:
    """Counts without ties, with a remainder; one run, of fewer words than the window; then ties."""
    for seed, (n, window) in enumerate(((23, 5), (18, 6), (7, 20))):
        counts = torch.randperm(90, generator=torch.Generator().manual_seed(seed))[:n] + 3
        got = like_frequency(counts, generator=torch.Generator().manual_seed(seed), window=window)
        right = _paired(counts, seed, window)
        mistakes = {
            "Each word got itself: give it *another* word of its run.": torch.arange(n),
            "Those are counts: return the indices of words.": counts[right],
            "The runs are cut from the words as they come: sort by count first.": _paired(
                counts, seed, window, order=lambda c: torch.arange(len(c))
            ),
            "You sorted from frequent to rare: the runs, and what is left over, are then others. "
            "Begin with the rarest.": _paired(
                counts, seed, window, order=lambda c: c.argsort(descending=True)
            ),
            "The ranks of the words are not their places in sorted order: `argsort` once.": _paired(
                counts, seed, window, order=lambda c: c.argsort().argsort()
            ),
            "Each word got the one some places *before* it: roll the other way.": _paired(
                counts, seed, window, back=True
            ),
            "The result is in sorted order: write each run's partners to the places of its words, "
            "`other[run] = ...`.": _paired(counts, seed, window, rank=True),
            "The words left over make a short run of their own: they belong to the last run.": (
                _paired(counts, seed, window, apart=True)
            ),
            "Every run is turned by one place: draw by how many, for each run.": _paired(
                counts, seed, window, drawn=lambda size, g: 1
            ),
            "The number of places may be 0, so that words keep their own: draw from 1.": _paired(
                counts,
                seed,
                window,
                drawn=lambda size, g: int(torch.randint(0, size, (1,), generator=g)),
            ),
            "That is any other order: only words of one run may be exchanged.": torch.randperm(
                n, generator=torch.Generator().manual_seed(seed)
            ),
        }
        expect(
            isinstance(got, Tensor) and got.shape == (n,),
            f"Return a tensor of {n} indices, one for each word, not {described(got)}.",
        )
        if sorted(got.tolist()) == list(range(n)) and not torch.equal(got, right):
            mistakes[
                "Words were exchanged within their runs, but not as the docstring says: one "
                "number of places is drawn for each run, in order, with `generator`."
            ] = got if _within(counts, got, window) else right
        mistakes = {why: v for why, v in mistakes.items() if not torch.equal(v, right)}
        match(got, right, what=f"The partners of {n} words, {window} a run,", mistakes=mistakes)
    for seed, (n, window) in enumerate(((26, 6), (31, 5))):
        counts = torch.arange(n) // 4 * 3 + 2  # four words of each count, but for the last
        counts = counts[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]
        got = like_frequency(counts, generator=torch.Generator().manual_seed(seed), window=window)
        expect(
            isinstance(got, Tensor) and got.shape == (n,),
            f"Return a tensor of {n} indices, one for each word, not {described(got)}.",
        )
        other = [int(i) for i in got]
        expect(
            sorted(other) == list(range(n)),
            "Where words have equal counts, some are used twice and others never: a count does "
            "not say which word is meant. Work with the words' indices.",
        )
        expect(
            all(i != j for i, j in enumerate(other)),
            "Where words have equal counts, a word got itself: give it *another* word of its run.",
        )
        expect(
            _one_run_has_both(counts, other, window),
            "Where words have equal counts, a word got one from outside its run: runs are cut "
            "by place in sorted order.",
        )
    return "Each word with another of its run, and each used once."


def _one_run_has_both(counts: Tensor, other: list[int], window: int) -> bool:
    """Whether each word's count and its partner's lie within one run's (ties in any order)."""
    placed = sorted(counts.tolist())
    n_runs = max(len(placed) // window, 1)
    ends = [*range(window, n_runs * window, window), len(placed)]
    runs = [(placed[start], placed[end - 1]) for start, end in zip([0, *ends], ends, strict=False)]
    both = zip(counts.tolist(), counts[other].tolist(), strict=True)
    return all(any(low <= min(x) and max(x) <= high for low, high in runs) for x in both)


def _within(counts: Tensor, other: Tensor, window: int) -> bool:
    """Whether each word got another one of its own run."""
    run = counts.argsort().argsort() // window
    run = run.clamp(max=max(len(counts) // window - 1, 0))
    return bool((run == run[other]).all() and (other != torch.arange(len(other))).all())


# ---- The map ------------------------------------------------------------------------------------


@exercise("utils.writing.geometry.fit_map")
def check_fit_map(fit_map) -> str:
    """Noise around a planted map, both sides off the origin; several penalties, few words too."""
    for seed, (n, d, e, ridge) in enumerate(((12, 3, 2, 0.4), (9, 2, 4, 0.0), (3, 5, 2, 0.7))):
        A = _random(n, d, seed=seed) + torch.linspace(3, -2, d)
        B = A @ _random(d, e, seed=seed + 9) + 5 + 0.4 * _random(n, e, seed=seed + 99)
        A = A * torch.linspace(0.5, 2, d)
        a, b = A - A.sum(0) / n, B - B.sum(0) / n

        def solved(x: Tensor, y: Tensor, penalty: float | Tensor) -> Tensor:
            eye = torch.eye(x.shape[1], dtype=torch.float64)
            return torch.linalg.pinv(x.T @ x + penalty * eye) @ (x.T @ y)

        s = (a * a).sum() / a.numel()
        right, price = solved(a, b, ridge * n * s), ridge * n * s
        mistakes = {
            "That is the map from B to A: exchange the two.": solved(
                b, a, ridge * n * (b * b).mean()
            ),
            "T is transposed: `A @ T` should have B's columns, so T is [a, b].": right.T,
            "Neither side is centred: take each mean row away first, or T has to explain the "
            "means too.": solved(A, B, ridge * n * (A * A).mean()),
            "The penalty is made from A as it came: s is of a, without the mean row.": solved(
                a, b, ridge * n * (A * A).mean()
            ),
            "That is `a.T @ b`: solve the equation for T.": a.T @ b,
            "Those are predictions. Return T.": a @ right,
            "Those are predictions, with the mean. Return T.": a @ right + B.mean(0),
            "The rows were divided by their lengths: a map has to meet lengths too.": solved(
                a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True), price / s / 3
            ),
        }
        if n > 3:
            mistakes["B is centred, and A is not. Take A's mean row away too."] = solved(
                A, b, ridge * n * (A * A).mean()
            )
        if ridge:
            mistakes |= {
                "The penalty is missing: that is plain least squares.": solved(a, b, 0.0),
                "The penalty is `ridge` alone: multiply it by n and by s.": solved(a, b, ridge),
                "The penalty lacks n, the number of words.": solved(a, b, ridge * s),
                "The penalty lacks s, the mean of all squared entries of a.": solved(
                    a, b, ridge * n
                ),
                "s is the *sum* of the squared entries here: it is their mean.": solved(
                    a, b, ridge * n * (a * a).sum()
                ),
                "n is the number of words, not of columns.": solved(a, b, ridge * d * s),
                "The penalty was added to every entry of the matrix: it belongs on its "
                "diagonal.": torch.linalg.pinv(a.T @ a + price) @ (a.T @ b),
                "The penalty has the wrong sign.": solved(a, b, -price),
            }
        got = fit_map(A.float(), B.float(), ridge=ridge)
        match(got, right, what=f"T for a ridge of {ridge}", mistakes=mistakes)
    return "Least squares with a penalty, both sides centred."


# ---- Moving a vector ----------------------------------------------------------------------------


def _tiny(seed: int) -> TransformerBridge:
    """A small model in which every position and every component matters."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3,
            "n_heads": 2,
            "d_head": 4,
            "d_model": 8,
            "d_mlp": 12,
            "d_vocab": 7,
            "n_ctx": 12,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=random)
            weight.copy_(0.5 * drawn if weight.ndim == 2 else 1 + 0.3 * drawn)
    return model.eval()


@exercise("utils.writing.geometry.steering_effects")
def check_steering_effects(steering_effects) -> str:
    """A small model with random weights; vectors of several lengths; one vector; two layers."""
    for seed, (n, layer, norm) in enumerate(((3, 1, 2.5), (1, 2, 0.7), (4, 0, 1.5))):
        model = _tiny(seed)
        tokens = torch.randint(7, (2, 5), generator=torch.Generator().manual_seed(seed))
        first, second = torch.tensor([0, 3, 5]), torch.tensor([1, 2, 6])
        vectors = _random(n, 8, seed=seed).float() * torch.linspace(0.5, 3, n)[:, None]

        def measure(model=model, tokens=tokens, first=first, second=second) -> Tensor:
            with torch.no_grad():
                log_p = model(tokens)[:, -1].log_softmax(-1)
            return (log_p[:, first] - log_p[:, second]).mean(0)

        plain = measure()

        def steered(
            *,
            size: Callable[[Tensor], Tensor] = lambda v, norm=norm: norm * v / v.norm(),
            where: slice = slice(1, None),
            at: str = f"blocks.{layer}.hook_resid_pre",
            put: bool = False,
            after: bool = False,
            pile: bool = False,
            vectors=vectors,
            model=model,
            measure=measure,
            plain=plain,
        ) -> Tensor:
            found, before = [], 0
            for v in vectors:
                step = size(v) + before

                def change(resid, hook, step=step):
                    out = resid.clone()
                    out[:, where] = step if put else out[:, where] + step
                    return out

                with model.hooks(fwd_hooks=[(at, change)]):
                    found.append(measure() if after else measure() - plain)
                before = step if pile else 0
            return torch.stack(found)

        right = steered()
        mistakes: Mapping[str, Tensor] = {
            "Nothing changes: does the hook return the changed stream, and is it on the model "
            "while `measure` runs?": torch.zeros_like(right),
            "Those are the log-odds with the vector: take away what `measure` gives without "
            "it.": steered(after=True),
            "The sign is turned: with the vector, minus without it.": -right,
            "The vectors have their own lengths: each gets the length `norm`.": steered(
                size=lambda v: v
            ),
            "The vectors are multiplied by `norm`, and keep their own lengths: divide by their "
            "length first.": steered(size=lambda v, norm=norm: norm * v),
            "The vectors are one long: multiply by `norm`.": steered(size=lambda v: v / v.norm()),
            "The vector is added to BOS as well: leave the first position alone.": steered(
                where=slice(0, None)
            ),
            "The vector is added at the last position alone: it goes to all but the first.": (
                steered(where=slice(-1, None))
            ),
            "The first position alone is steered: it is the one to leave alone.": steered(
                where=slice(0, 1)
            ),
            "The stream is replaced: *add* the vector to it.": steered(put=True),
            "That is after the block: `hook_resid_pre` is the stream before it.": steered(
                at=f"blocks.{layer}.hook_resid_post"
            ),
            "The vector is taken away from the stream: add it.": steered(
                size=lambda v, norm=norm: -norm * v / v.norm()
            ),
            "A mean over the pairs of words: keep a number for each pair.": right.mean(-1),
            "The table is transposed: [vector, pair].": right.T,
        }
        if n > 1:
            mistakes = {
                **mistakes,
                "Hooks of earlier vectors are still on: take each off before the next.": steered(
                    pile=True
                ),
                "Every row is the last vector's: the hook looks its variable up when it runs, so "
                "run the model inside the loop.": right[-1:].expand_as(right),
                "A mean over the vectors: keep a row for each.": right.mean(0),
                "All vectors are divided by one length: each by its own.": steered(
                    size=lambda v, vectors=vectors, norm=norm: norm * v / vectors.norm()
                ),
            }
        else:
            mistakes = {**mistakes, "With one vector the result is [1, pair].": right[0]}
        got = steering_effects(model, vectors, measure, layer=layer, norm=norm)
        match(got, right, what=f"The effects at layer {layer}", mistakes=mistakes)
    return "Each vector by itself, and the model as it was."


_KINDS = {"true", "half", "frequency"}


@investigation("which_map", course=dict(zip("abc", _ORDER, strict=True)))
def check_which_map(answer) -> str:
    """A dictionary from letters to kinds."""
    expect(
        isinstance(answer, dict) and set(answer) == set("abc"),
        'Give a dictionary with the letters "a", "b" and "c".',
    )
    kinds = {letter: str(kind).strip().lower() for letter, kind in answer.items()}
    expect(
        set(kinds.values()) <= _KINDS,
        'The kinds are called "true", "half" and "frequency".',
    )
    expect(len(set(kinds.values())) == 3, "Each kind stands under one letter.")
    right = dict(zip("abc", _ORDER, strict=True))
    expect(
        kinds == right,
        "At least two letters are wrong; which ones is for you to measure. Move the *same* words, "
        "which no map was fitted on, by each map, and compare with Gemma's rows of these words.",
    )
    return "Those are the three maps."


# ---- Local --------------------------------------------------------------------------------------


def _by_hand(E: Tensor, k: int, **other) -> Tensor:
    """The rows of LLE weights, a word at a time; `other` is what a mistake would change."""
    x = E - E.mean(0) if other.get("centre", True) else E
    if other.get("unit", True):
        x = x / x.norm(dim=-1, keepdim=True)
    near_by = other.get("near")
    rows = torch.zeros(len(x), len(x), dtype=torch.float64)
    for i, point in enumerate(x):
        if near_by is not None:
            near = near_by[i]
        else:
            score = x @ point
            if not other.get("itself", False):
                score[i] = -9
            near = score.argsort(descending=not other.get("far", False))
            near = near[near != i][:k] if other.get("far") else near[:k]
        z = x[near] - point
        gram = z @ z.T
        gram = gram + 1e-3 * gram.trace() * torch.eye(len(near), dtype=torch.float64)
        w = torch.linalg.solve(gram, torch.ones(len(near), dtype=torch.float64))
        rows[i, near] = torch.ones_like(w) if other.get("flat") else w / w.sum()
    return rows


def _nearest(E: Tensor, k: int) -> list[Tensor]:
    x = E - E.mean(0)
    x = x / x.norm(dim=-1, keepdim=True)
    cosines = x @ x.T - 9 * torch.eye(len(x), dtype=torch.float64)
    return list(cosines.topk(k).indices)


@exercise("utils.writing.geometry.lle_agreement")
def check_lle_agreement(lle_agreement) -> str:
    """Two clouds, half alike, off the origin; two numbers of neighbours."""
    for seed, (n, d, e, k) in enumerate(((20, 6, 4, 5), (15, 3, 7, 3))):
        A = _random(n, d, seed=seed) + torch.linspace(2, -1, d)
        B = (A @ _random(d, e, seed=seed + 5)) + _random(n, e, seed=seed + 6)
        a, b = _by_hand(A, k), _by_hand(B, k)

        def cosine(x: Tensor, y: Tensor) -> Tensor:
            return (x * y).sum(-1) / x.norm(dim=-1) / y.norm(dim=-1)

        near = _nearest(A, k)
        over_a = _by_hand(B, k, near=near)
        pressed = [
            torch.stack([rows[i, each] for i, each in enumerate(places)])
            for rows, places in ((a, near), (b, _nearest(B, k)))
        ]
        right = cosine(a, b)
        mistakes = {
            "You took A's neighbours in both models: each model has its own.": cosine(a, over_a),
            "The weights are compared by their place in the lists of neighbours: put each into "
            "the column of *its word*, and 0 elsewhere.": cosine(*pressed),
            "The embeddings are not centred.": cosine(
                _by_hand(A, k, centre=False), _by_hand(B, k, centre=False)
            ),
            "The rows are not made one long: start from `unit_rows`.": cosine(
                _by_hand(A, k, unit=False, near=near),
                _by_hand(B, k, unit=False, near=_nearest(B, k)),
            ),
            "Each word is among its own neighbours: take it out.": cosine(
                _by_hand(A, k, itself=True), _by_hand(B, k, itself=True)
            ),
            "Those are the words furthest away.": cosine(
                _by_hand(A, k, far=True), _by_hand(B, k, far=True)
            ),
            "That is the share of neighbours in common: compare the weights.": cosine(
                _by_hand(A, k, flat=True), _by_hand(B, k, flat=True)
            ),
            "A single number: keep one for each word.": right.mean(),
            "That is one less than k neighbours.": cosine(_by_hand(A, k - 1), _by_hand(B, k - 1)),
            "That is one neighbour more than k.": cosine(_by_hand(A, k + 1), _by_hand(B, k + 1)),
            "Those are inner products: divide by both lengths.": (a * b).sum(-1),
            "That is a Pearson correlation: the cosine takes no mean away.": cosine(
                a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
            ),
        }
        got = lle_agreement(A.float(), B.float(), k=k)
        match(got, right, what=f"The agreement with k = {k}", mistakes=mistakes)
    return "Each model's own neighbours, in the columns of their words."


@exercise("utils.writing.geometry.intrinsic_dimension")
def check_intrinsic_dimension(intrinsic_dimension) -> str:
    """Neighbourhoods with planted variances along each axis, on both sides of the origin."""
    scales = [[3.0, 3.0, 3.0, 0.1], [4.0, 0.5, 0.4, 0.2]]  # standard deviations
    signs = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()
    corners = torch.cat([signs, -signs])  # 8 points whose 3 axes are uncorrelated, of mean 0
    fourth = corners.prod(-1, keepdim=True)
    cube = torch.cat([corners, fourth], -1)  # 4 uncorrelated axes
    turn = torch.linalg.qr(
        torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).Q
    clouds = [
        (cube * torch.tensor(s, dtype=torch.float64)) @ turn + way * torch.tensor([20.0, -10, 5, 0])
        for s, way in zip(scales, (1, -1), strict=True)
    ]
    E = torch.cat([*clouds, torch.zeros(1, 4, dtype=torch.float64)])
    neighbours = torch.stack([torch.arange(8), 8 + torch.arange(8)])
    variances = torch.tensor(scales).double() ** 2

    def needed(values: torch.Tensor, share: float) -> torch.Tensor:
        shares = values.sort(-1, descending=True).values
        shares = shares.cumsum(-1) / shares.sum(-1, keepdim=True)
        return (shares < share).sum(-1) + 1

    spread = variances.sqrt()
    participation = variances.sum(-1) ** 2 / variances.pow(2).sum(-1)
    for share in (0.6, 0.9, 0.98):
        right = needed(variances, share)
        upwards = variances.sort(-1).values.cumsum(-1) / variances.sum(-1, keepdim=True)
        of_each = variances / variances.sum(-1, keepdim=True)
        match(
            intrinsic_dimension(E, neighbours, share=share),
            right,
            what=f"The dimensions for a share of {share}",
            mistakes={
                "Is `share` used? That is the answer for 0.9.": needed(variances, 0.9),
                "One too few: count the components *until the share is reached*, with the one that "
                "reaches it.": right - 1,
                "One too many.": right + 1,
                "The neighbours are not centred: take the mean of each neighbourhood away, or the "
                "first component is the way from the origin to the cloud. The mean of all of E is "
                "another point.": torch.ones(2),
                "Those are shares of the singular values. Variance goes with their "
                "squares.": needed(spread, share),
                "You began with the smallest component: sort them from large to small.": (
                    upwards < share
                ).sum(-1)
                + 1,
                "That is the participation ratio, another measure: here, count "
                "components.": participation,
                "You counted the components that each hold this share. Add them up, from the "
                "largest.": (of_each >= share).sum(-1),
                "All of the components are counted: stop where the share is reached.": torch.tensor(
                    [4, 4]
                ),
            },
        )
    match(
        intrinsic_dimension(E, neighbours[:1]),
        needed(variances[:1], 0.9),
        what="The dimension of one token, [1], with the default share, 0.9,",
        mistakes={"The axis is lost when there is one token.": needed(variances[0], 0.9)},
    )
    return "Components counted until they hold the share."
