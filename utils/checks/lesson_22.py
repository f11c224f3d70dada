"""Checks of lesson 2.2, probing without labels."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described

# What each unlabelled probe of the investigation started from: a seed, and whether of random labels
# rather than of a random direction. Printing it would spoil it.
_HIDDEN = {"A": (1, False), "B": (28, True), "C": (8, False)}
_FOUND = {"A": "list", "B": "random", "C": "truth"}


def hidden(name: str) -> tuple[int, bool]:
    """How a probe of the investigation starts."""
    return _HIDDEN[name]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- CCS ----------------------------------------------------------------------------------------


def _terms(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return (p - (1 - q)) ** 2, torch.minimum(p, q) ** 2


def _both(p: Tensor, q: Tensor) -> Tensor:
    return sum(_terms(p, q)).mean()


def _normal(half: Tensor, over: Tensor | None = None) -> Tensor:
    over = half if over is None else over
    return (half - over.mean(0)) / over.std(0)


def _searched(
    first: Tensor,
    second: Tensor,
    start: Tensor,
    steps: int,
    lr: float,
    *,
    normal: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda f, s: (f, s),
    loss: Callable[[Tensor, Tensor], Tensor] = _both,
    optimizer=torch.optim.Adam,
    zero: bool = True,
    with_bias: bool = True,
    late: bool = True,
    anew: bool = False,
    bias_at: float = 0.0,
    biases: int = 1,
) -> tuple[Tensor, Tensor, float]:
    """The probabilities and the loss after the last step, or of a wrong search."""
    a, b = normal(first, second)
    w, bias = start.clone().requires_grad_(), torch.full((biases,), bias_at).requires_grad_()
    opt = optimizer([w, bias] if with_bias else [w], lr=lr)
    for _ in range(steps):
        if anew:
            opt = optimizer([w, bias], lr=lr)
        p, q = torch.sigmoid(a @ w + bias[0]), torch.sigmoid(b @ w + bias[-1])
        if zero:
            opt.zero_grad()
        value = loss(p, q)
        value.backward()
        opt.step()
    if late:
        p, q = torch.sigmoid(a @ w + bias[0]), torch.sigmoid(b @ w + bias[-1])
        value = _both(p, q)
    return p.detach(), q.detach(), value.item()


def _pairs(seed: int, n: int, d: int) -> tuple[Tensor, Tensor, Tensor]:
    """Halves with means and sizes of their own, and a start."""
    draw = _seeded(seed)
    truth = (torch.rand(n, generator=draw) < 0.5).float()[:, None]
    first, second = (torch.randn(n, d, generator=draw) for _ in range(2))
    first[:, :2] += 3 * truth
    second[:, :2] += 3 * (1 - truth)
    sizes = torch.rand(d, generator=draw) + 0.5
    first, second = 2 * first * sizes + 1.5, second * sizes.flip(0) - 2
    return first, second, torch.randn(d, generator=draw) / d**0.5


_SEARCHES = {
    "The halves are normalised again: they come normalised.": {
        "normal": lambda f, s: (_normal(f), _normal(s))
    },
    "Both halves are normalised again, together: they come normalised.": {
        "normal": lambda f, s: tuple(_normal(half, torch.cat([f, s])) for half in (f, s))
    },
    "The confidence is missing from the loss: the square of the smaller of the two.": {
        "loss": lambda p, q: _terms(p, q)[0].mean()
    },
    "The consistency is missing from the loss.": {"loss": lambda p, q: _terms(p, q)[1].mean()},
    "Consistency compares `p_first` with `1 - p_second`, not with `p_second`.": {
        "loss": lambda p, q: ((p - q) ** 2 + torch.minimum(p, q) ** 2).mean()
    },
    "The confidence took the larger of the two: the smaller should go to 0.": {
        "loss": lambda p, q: (_terms(p, q)[0] + torch.maximum(p, q) ** 2).mean()
    },
    "The smaller of the two is not squared.": {
        "loss": lambda p, q: (_terms(p, q)[0] + torch.minimum(p, q)).mean()
    },
    "Gradients add up from step to step: call `optimizer.zero_grad()`.": {"zero": False},
    "That is SGD: take `torch.optim.Adam`.": {"optimizer": torch.optim.SGD},
    "The bias is not trained: hand it to Adam too, and let it require a gradient.": {
        "with_bias": False
    },
    "`Adam` is made anew at every step, and forgets: make it once, before the loop.": {
        "anew": True
    },
    "The bias should begin at 0.": {"bias_at": 1.0},
    "Each half has a bias of its own: one bias serves both.": {"biases": 2},
    "The probabilities are those before the last step: compute them again after the loop.": {
        "late": False
    },
}


@exercise("utils.reading.unsupervised.ccs", keeps_gradient=False)
def check_ccs(ccs) -> str:
    """Small halves whose search is known number by number."""
    cases = [(3, 12, 6, 4, 0.1), (0, 14, 5, 30, 0.05), (1, 9, 3, 7, 0.2)]
    for seed, n, d, steps, lr in cases:
        first, second, start = _pairs(seed, n, d)
        got = ccs(first, second, start=start, steps=steps, lr=lr)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            f"Return two things, the belief and the loss, not {described(got)}.",
        )
        belief, loss = got
        expect(
            not (isinstance(belief, Tensor) and belief.requires_grad),
            "The belief still carries a gradient: compute it in `with torch.no_grad():`.",
        )
        expect(
            not (isinstance(loss, Tensor) and loss.requires_grad),
            "The loss still carries a gradient: return a number, `.item()`.",
        )
        args = first, second, start, steps, lr
        p, q, right = _searched(*args)
        wrong = {why: _searched(*args, **how) for why, how in _SEARCHES.items()}
        untrained = _searched(first, second, start, 0, lr)
        more, fewer = (_searched(first, second, start, steps + k, lr) for k in (1, -1))
        other = _searched(first, second, start, steps, 0.01)
        wrong |= {
            "That is the start: is `backward()` called before `step()`, and is `start` trained?": (
                untrained
            ),
            "One step too many.": more,
            "One step too few.": fewer,
            "The step size is not `lr`.": other,
            "The number of steps is not `steps`.": _searched(first, second, start, 250, lr),
            "The search does not begin at `start`: that is one from zeros.": _searched(
                first, second, torch.zeros_like(start), steps, lr
            ),
            "The search does not begin at `start`: that is one from ones.": _searched(
                first, second, torch.ones_like(start), steps, lr
            ),
        }
        mean = (p + 1 - q) / 2
        match(
            belief,
            mean,
            what=f"The belief after {steps} steps from `start`, with lr={lr},",
            mistakes={
                **{why: (one + 1 - two) / 2 for why, (one, two, _) in wrong.items()},
                "That is the second half's probability: the belief is about the first.": 1 - mean,
                "That is `p_first` alone: take the mean of it and of `1 - p_second`.": p,
                "That is `1 - p_second` alone: take the mean of it and of `p_first`.": 1 - q,
                "That is the mean of both probabilities: the second counts as `1 - p_second`.": (
                    (p + q) / 2
                ),
                "That is `p_first - p_second`: the mean of `p_first` and `1 - p_second` is asked "
                "for.": p - q,
                "Belief is a probability, and that is 0 or 1: return the mean itself.": (
                    (mean > 0.5).float()
                ),
            },
        )
        consistency, confidence = _terms(p, q)
        match(
            loss,
            right,
            what="The loss",
            mistakes={
                "That is the loss before the last step.": _searched(*args, late=False)[2],
                "That is a sum over the pairs: the loss is their mean.": right * n,
                "That is the consistency alone: the confidence is part of the loss.": (
                    consistency.mean()
                ),
                "That is the confidence alone: the consistency is part of the loss.": (
                    confidence.mean()
                ),
            },
        )
    return "It trains, and says what it believes, all without a label."


# ---- Any labels ---------------------------------------------------------------------------------


def _asked(labels: Tensor, size: float) -> Tensor:
    target = size * (2.0 * labels - 1)
    return torch.cat([target, -target])


def _match_loss(loss, scores: Tensor, asked: Tensor, *, what: str) -> None:
    p, q = torch.sigmoid(scores).chunk(2)
    consistency, confidence = _terms(p, q)
    match(
        loss,
        _both(p, q),
        what=what,
        mistakes={
            "That is the consistency alone.": consistency.mean(),
            "That is the confidence alone.": confidence.mean(),
            "That is a sum over the pairs: take the mean.": sum(_terms(p, q)).sum(),
            "That is the loss of the scores that were *asked* for: take those that the direction "
            "gives.": _both(*torch.sigmoid(asked).chunk(2)),
            "Scores went into the loss: make them probabilities, `torch.sigmoid`.": _both(
                *scores.chunk(2)
            ),
            "That is the squared error of the scores: return the loss of CCS.": (
                (scores - asked) ** 2
            ).mean(),
        },
    )


@exercise("utils.reading.unsupervised.fit_labelling")
def check_fit_labelling(fit_labelling) -> str:
    """More dimensions than rows, so that every score can be met."""
    for seed, n, d, size in ((0, 6, 20, 10.0), (1, 4, 15, 2.0)):
        draw = _seeded(seed)
        first, second = (torch.randn(n, d, generator=draw) for _ in range(2))
        labels = torch.tensor([1, 0, 0, 1, 0, 0][:n])
        got = fit_labelling(first, second, labels, size=size)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            f"Return two things, the direction and the loss, not {described(got)}.",
        )
        direction, loss = got
        both = torch.cat([first, second])
        inverse = torch.linalg.pinv(both)
        right = inverse @ _asked(labels, size)
        target = size * (2.0 * labels - 1)
        ones = torch.cat([labels, 1 - labels]).float()
        expect(
            isinstance(direction, Tensor) and direction.ndim == 1 and len(direction) == d,
            f"The direction should be a tensor of shape ({d},), not {described(direction)}.",
        )
        match(
            direction,
            right,
            what="The direction",
            mistakes={
                "The signs are exchanged: where the label is 1, the *first* gets `+size`.": -right,
                "Labels 0 should become `-size`: 0 as a score is a probability of a half.": (
                    inverse @ (size * ones)
                ),
                "Labels 0 should become `-size`, and are still 0: `2 * labels - 1`.": (
                    inverse @ (size * torch.cat([labels, -labels]).float())
                ),
                "`size` is not used: the scores are `size` and `-size`.": right / size,
                "That is the direction for a `size` of 10: use the one that is given.": (
                    right / size * 10
                ),
                "Rows and scores are in different orders: stack both halves, and both halves' "
                "scores, in the same way.": torch.linalg.pinv(
                    torch.stack([first, second], 1).flatten(0, 1)
                )
                @ _asked(labels, size),
                "Scores and rows are in different orders: stack both halves, and both halves' "
                "scores, in the same way.": inverse
                @ _asked(labels, size).reshape(2, n).T.flatten(),
                "Both halves got the same score: the second gets the opposite of the first.": (
                    inverse @ torch.cat([target, target])
                ),
                "Only the first halves are fitted: the second ones get `-target`.": (
                    torch.linalg.pinv(first) @ target
                ),
                "You fitted the difference of the halves to `target`: each half has a score of "
                "its own.": torch.linalg.pinv(first - second) @ target,
                "You fitted the difference of the halves to twice the target: each half has a "
                "score of its own.": torch.linalg.pinv(first - second) @ (2 * target),
                "That is the mean difference, not a solution: take `torch.linalg.pinv`.": (
                    both.T @ _asked(labels, size)
                ),
            },
        )
        _match_loss(loss, both @ right, _asked(labels, size), what="The loss")
        rows = torch.randn(2 * n, 3, generator=draw)  # too few dimensions: least squares
        direction, loss = fit_labelling(rows[:n], rows[n:], labels, size=size)
        right = torch.linalg.pinv(rows) @ _asked(labels, size)
        match(direction, right, what="The direction where scores cannot all be met", mistakes={})
        what = "The loss where scores cannot all be met"
        _match_loss(loss, rows @ right, _asked(labels, size), what=what)
    return "It follows the labels that it gets, as far as least squares can."


# ---- Stretching ---------------------------------------------------------------------------------


@exercise("utils.reading.unsupervised.stretched")
def check_stretched(stretched) -> str:
    """Rows at random, directions of other lengths than 1, and factors on both sides of 1."""
    for seed, n, d, factor in ((0, 6, 5, 4.0), (1, 3, 8, 0.5), (2, 4, 3, 0.0)):
        draw = _seeded(seed)
        first, second = (torch.randn(n, d, generator=draw) for _ in range(2))
        direction = 3 * torch.randn(d, generator=draw)
        got = stretched(first, second, direction, factor)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            f"Return the two halves, two tensors, not {described(got)}.",
        )
        unit = direction / direction.norm()
        for name, half, new in zip(("first", "second"), (first, second), got, strict=True):
            along = torch.outer(half @ unit, unit)
            raw = torch.outer(half @ direction, direction)
            match(
                new,
                half + (factor - 1) * along,
                what=f"The {name} half",
                mistakes={
                    "`direction` has any length: divide by it first, once for the amount and once "
                    "for where it goes.": half + (factor - 1) * raw,
                    "The amount is read along `direction` of length 1, and put back along one of "
                    "another length.": half + (factor - 1) * torch.outer(half @ unit, direction),
                    "The amount is read along `direction` of another length than 1.": half
                    + (factor - 1) * torch.outer(half @ direction, unit),
                    "You added `factor` times the part: it is there once already.": (
                        half + factor * along
                    ),
                    "That is the part along the direction alone: the rest of the row stays.": (
                        factor * along
                    ),
                    "The part along the direction is gone: multiply it, and put it back.": (
                        half - along
                    ),
                    "The rest was multiplied, and the part along the direction left as it was.": (
                        along + factor * (half - along)
                    ),
                    "The whole row is multiplied: only its part along the direction should be.": (
                        factor * half
                    ),
                    "This half is as it was: both are stretched.": half,
                    "Each coordinate is multiplied by itself: take the part of the row *along* the "
                    "direction, a scalar product times the direction.": half
                    + (factor - 1) * half * unit,
                },
            )
    return "One direction changed, and nothing else."


# ---- The investigation --------------------------------------------------------------------------


@investigation("discovered", course=_FOUND)
def check_discovered(discovered) -> str:
    names = {"truth", "list", "alphabet", "random"}
    expect(
        isinstance(discovered, Mapping) and set(discovered) == set(_FOUND),
        "Give a dictionary with the keys 'A', 'B' and 'C'.",
    )
    other = [value for value in discovered.values() if value not in names]
    expect(not other, f"Each value is one of {sorted(names)}, and one is {other and other[0]!r}.")
    wrong = [name for name in _FOUND if discovered[name] != _FOUND[name]]
    expect(
        not wrong,
        f"{len(wrong)} of three {'is' if len(wrong) == 1 else 'are'} wrong. Compare two pairs "
        "between which your concept changes sides and a rival does not. If no looks are left, run "
        "the cell of the probes again.",
    )
    return "No loss could have told you that: you asked what each probe prefers."


# ---- Patching heads -----------------------------------------------------------------------------


def _tiny(seed: int) -> TransformerBridge:
    model = TransformerBridge.boot_native(
        {
            "n_layers": 4,
            "n_heads": 3,
            "d_head": 4,
            "d_model": 12,
            "d_mlp": 16,
            "d_vocab": 20,
            "n_ctx": 10,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    draw = _seeded(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw) * 0.5)
        model.eval()(torch.ones(1, 2, dtype=torch.long))  # its first run sets hooks of its own
    return model


def _texts(seed: int, lengths: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    draw = _seeded(seed)
    shape = len(lengths), max(lengths)
    one, two = (torch.randint(1, 20, shape, generator=draw) for _ in range(2))
    sizes = torch.tensor(lengths)
    padding = torch.arange(max(lengths)) >= sizes[:, None]
    return one.masked_fill(padding, 0), two.masked_fill(padding, 0), sizes


def _patched(
    model,
    tokens: Tensor,
    other: Tensor,
    lengths: Tensor,
    direction: Tensor,
    layers: Sequence[int],
    read: int,
    *,
    where: str = "last",
    heads: str = "one",
    at: int = 0,
    source: str = "other",
) -> Tensor:
    rows, last = torch.arange(len(tokens)), lengths - 1 - at
    names = [f"blocks.{layer}.attn.hook_z" for layer in layers]
    scores = []
    with torch.no_grad():
        _, cache = model.run_with_cache(other, names_filter=names)
        for name in names:
            for head in range(3):

                def patch(z, hook, head=head):
                    new = cache[hook.name] if source == "other" else torch.zeros_like(z)
                    z, chosen = z.clone(), slice(None) if heads == "all" else head
                    if heads == "last":
                        chosen = 2
                    if where == "all":
                        z[:, :, chosen] = new[:, :, chosen]
                    elif where == "end":
                        z[:, -1, chosen] = new[:, -1, chosen]
                    else:
                        z[rows, last, chosen] = new[rows, last, chosen]
                    return z

                with model.hooks(fwd_hooks=[(name, patch)]):
                    resid = model(tokens, stop_at_layer=read)
                spot = torch.full_like(last, -1) if where == "end" else last
                scores.append(resid[rows, spot] @ direction)
    return torch.stack(scores).reshape(len(layers), 3, len(tokens))


@exercise("utils.reading.erasure.patch_heads")
def check_patch_heads(patch_heads) -> str:
    """A tiny random model; rows of different lengths."""
    for seed, sizes, layers, read in ((0, (7, 4, 6), [1, 0], 2), (1, (5, 8), [0], 2)):
        model, (tokens, other, lengths) = _tiny(seed), _texts(seed, sizes)
        direction = torch.randn(12, generator=_seeded(seed + 9))
        got = patch_heads(model, tokens, other, lengths, direction, layers=layers, read=read)
        args = model, tokens, other, lengths, direction, layers, read
        right = _patched(*args)
        reversed_args = model, other, tokens, lengths, direction, layers, read
        with torch.no_grad():
            plain = model(tokens, stop_at_layer=read)[torch.arange(len(tokens)), lengths - 1]
        match(
            got,
            right,
            what="The scores",
            mistakes={
                "The heads are patched at all positions: patch each row's last token alone.": (
                    _patched(*args, where="all")
                ),
                "The last column is padding in the shorter rows: the last token is at "
                "`lengths - 1`.": _patched(*args, where="end"),
                "All heads of a block are patched at once: one at a time.": _patched(
                    *args, heads="all"
                ),
                "Every run patches the last head: a hook made in a loop sees the loop's last "
                "value. Write `def patch(z, hook, head=head)`.": _patched(*args, heads="last"),
                "The patch is one token early: the last token is at `lengths - 1`.": _patched(
                    *args, at=1
                ),
                "The texts are exchanged: run `tokens`, and take the head's output from `other`.": (
                    _patched(*reversed_args)
                ),
                "The head's output is set to zero: take what it writes in `other`.": _patched(
                    *args, source="zero"
                ),
                "Nothing is patched: does the hook return the changed tensor?": (
                    plain @ direction
                ).expand_as(right),
                "That is the change by the patch: return the scores themselves.": (
                    right - plain @ direction
                ),
                "The stream is read one block late: before block `read`.": _patched(
                    *args[:-1], read + 1
                ),
                "That is a mean over the texts: keep one score a text.": right.mean(-1),
                "Heads and layers are exchanged: [layer, head, batch].": right.transpose(0, 1),
            },
        )
    return "One head at a time, and a score for each text."


# ---- LEACE --------------------------------------------------------------------------------------


def _leace(
    x: Tensor,
    y: Tensor,
    shrink: float,
    *,
    centred: bool = True,
    diagonal: Callable[[Tensor], Tensor] = lambda S: S.diagonal().mean(),
    mix: bool = True,
    order: str = "cu",
    solve: bool = True,
) -> Tensor:
    x = x.double()
    z = x - x.mean(0) if centred else x
    c = z.T @ (y.double() - y.double().mean()) / len(x)
    S = z.T @ z / len(x)
    eye = torch.eye(len(c), dtype=torch.double)
    S = (1 - shrink if mix else 1) * S + shrink * diagonal(S) * eye
    u = torch.linalg.solve(S, c) if solve else S @ c
    parts = {"cu": (c, u), "uc": (u, c), "uu": (u, u), "cc": (c, c)}[order]
    return torch.outer(*parts) / (parts[0] @ parts[1])


@exercise("utils.reading.erasure.leace", in_double=True)
def check_leace(leace) -> str:
    """Correlated rows with a mean; the eraser is known in closed form."""
    for seed, n, d, shrink in ((0, 30, 5, 0.05), (1, 8, 12, 0.3), (2, 17, 4, 0.0)):
        draw = _seeded(seed)
        x = torch.randn(n, d, generator=draw) @ torch.randn(d, d, generator=draw) + 3
        y = (torch.rand(n, generator=draw) < 0.3).long()
        y[:2] = torch.tensor([0, 1])
        x[:, 0] += 2 * y
        got = leace(x, y, shrink=shrink)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            f"Return two things, the mean and the matrix, not {described(got)}.",
        )
        mean, matrix = got
        match(
            mean,
            x.mean(0),
            what="The mean",
            mistakes={
                "That is the middle of the two classes' means: take the mean of all rows.": (
                    (x[y == 1].mean(0) + x[y == 0].mean(0)) / 2
                ),
                "The mean is one number: each coordinate has its own.": x.mean(),
                "That is the difference of the classes' means.": (
                    x[y == 1].mean(0) - x[y == 0].mean(0)
                ),
            },
        )
        right = _leace(x, y, shrink)
        match(
            matrix,
            right,
            what="The matrix",
            mistakes={
                "That is the matrix that keeps the rest: the identity minus what is asked for.": (
                    torch.eye(d, dtype=torch.double) - right
                ),
                "That projects out the difference of means: use u, which solves `S u = c`, to read "
                "the concept.": _leace(x, y, shrink, order="cc"),
                "The outer product is the wrong way round: `torch.outer(c, u)`.": _leace(
                    x, y, shrink, order="uc"
                ),
                "Both sides are u: what is taken away points along c.": _leace(
                    x, y, shrink, order="uu"
                ),
                "You multiplied by S: u *solves* `S u = c`, `torch.linalg.solve(S, c)`.": _leace(
                    x, y, shrink, solve=False
                ),
                "`x` is not centred: subtract its mean first.": _leace(x, y, shrink, centred=False),
                "The shrinking adds without taking away: `(1 - shrink) * S` is the other part.": (
                    _leace(x, y, shrink, mix=False)
                ),
                "The identity needs the size of S: times the mean of its diagonal.": _leace(
                    x, y, shrink, diagonal=lambda S: torch.tensor(1.0).double()
                ),
                "You took the sum of the diagonal: its mean is asked for.": _leace(
                    x, y, shrink, diagonal=lambda S: S.trace()
                ),
                "S is not shrunk: mix `shrink` of the identity into it.": (
                    _leace(x, y, 0.0) if n > d else right + 1
                ),
                "Divide by `c @ u`: the matrix should take away the whole concept, once.": (
                    right * _scale(x, y, shrink)
                ),
            },
        )
    return "What is left has no covariance with the concept, and little else has moved."


def _scale(x: Tensor, y: Tensor, shrink: float) -> Tensor:
    z = (x - x.mean(0)).double()
    c = z.T @ (y.double() - y.double().mean()) / len(x)
    S = z.T @ z / len(x)
    S = (1 - shrink) * S + shrink * S.diagonal().mean() * torch.eye(len(c), dtype=torch.double)
    return c @ torch.linalg.solve(S, c)


def _ran(
    model,
    tokens: Tensor,
    lengths: Tensor,
    labels: Tensor,
    layers: Sequence[int],
    fit: Callable,
    fit_rows: Tensor,
    *,
    where: str = "last",
    fit_on: str = "rows",
    fresh: bool = True,
    kept: str = "after",
    apply_to: str = "all",
) -> tuple[dict[int, Tensor], Tensor]:
    rows, last, streams, before = torch.arange(len(tokens)), lengths - 1, {}, {}
    if where == "end":
        last = torch.full_like(last, tokens.shape[1] - 1)

    def note(resid, hook):
        before[int(hook.name.split(".")[1])] = resid[rows, last].clone()

    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(4)]

    def edit(resid, hook):
        layer, resid = int(hook.name.split(".")[1]), resid.clone()
        x = resid[rows, last]
        old = x.clone()
        if layer in layers:
            chosen = torch.ones_like(fit_rows) if fit_on == "everything" else fit_rows
            chosen = ~fit_rows if fit_on == "others" else chosen
            mean, matrix = fit((x if fresh else before[layer])[chosen], labels[chosen])
            new = x - (x - mean) @ (matrix.T if where != "transposed" else matrix)
            if apply_to == "fit rows":
                new[~fit_rows] = old[~fit_rows]
            if where == "all":
                resid = resid - (resid - mean) @ matrix.T
            else:
                resid[rows, last] = new
        streams[layer] = old if kept == "before" else resid[rows, last].clone()
        return resid

    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[(name, note) for name in names])
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, edit) for name in names])
    return streams, logits[rows, last]


def _of_rows(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """An eraser that depends on its rows, and is not symmetric."""
    difference = x[y == 1].mean(0) - x[y == 0].mean(0)
    reader = difference * torch.linspace(0.5, 2, len(difference)) + 0.1
    return x.mean(0), torch.outer(difference, reader) / (difference @ reader)


@exercise("utils.reading.erasure.erase_while_running")
def check_erase_while_running(erase_while_running) -> str:
    """A tiny random model; the eraser is not symmetric, and differs with its rows."""
    for seed, sizes, layers in (
        (0, (7, 4, 6, 5, 7, 3), [1, 2]),
        (1, (5, 8, 6, 4), [0, 3]),
        (1, (6, 4, 5, 3), []),
    ):
        model, (tokens, _, lengths) = _tiny(seed), _texts(seed, sizes)
        labels = torch.tensor([1, 0, 0, 1, 1, 0])[: len(sizes)]
        fit_rows = torch.tensor([True, True, False, True, False, True])[: len(sizes)]
        got = erase_while_running(
            model, tokens, lengths, labels, layers=layers, fit=_of_rows, fit_rows=fit_rows
        )
        expect(
            isinstance(got, tuple | list) and len(got) == 2 and isinstance(got[0], Mapping),
            "Return two things, a dictionary from each block to its stream, and the logits; not "
            f"{described(got)}.",
        )
        streams, logits = got
        expect(
            sorted(streams) == [0, 1, 2, 3],
            f"The dictionary should have the blocks 0 to 3 as keys, and has {sorted(streams)}: "
            "every block's stream is kept, also where nothing is erased.",
        )
        args = model, tokens, lengths, labels, layers, _of_rows, fit_rows
        right, right_logits = _ran(*args)
        wrong = {
            "The edit goes to all positions: erase at each row's last token alone.": {
                "where": "all"
            },
            "The last column is padding in the shorter rows: the last token is at `lengths - 1`.": {
                "where": "end"
            },
            "The matrix is transposed: `x - (x - mean) @ matrix.T`.": {"where": "transposed"},
            "Erasers are fitted on all rows: fit on those of `fit_rows` alone.": {
                "fit_on": "everything"
            },
            "Erasers are fitted on the rows that `fit_rows` leaves out.": {"fit_on": "others"},
            "Erasers are fitted on a run without erasing: fit each on the stream as it comes, "
            "after the earlier ones.": {"fresh": False},
            "The streams are those before the edit: keep them after erasing.": {"kept": "before"},
            "Only the rows of `fit_rows` are edited: erase in all rows.": {"apply_to": "fit rows"},
        }
        found = {why: _ran(*args, **how) for why, how in wrong.items()}
        for layer in range(4):
            match(
                streams[layer],
                right[layer],
                what=f"The stream before block {layer}",
                mistakes={why: each[layer] for why, (each, _) in found.items()},
            )
        with torch.no_grad():
            plain = model(tokens)[torch.arange(len(tokens)), lengths - 1]
        match(
            logits,
            right_logits,
            what="The logits",
            mistakes={
                **{why: each for why, (_, each) in found.items()},
                "Those are the logits without erasing.": plain,
                "Those are log probabilities: return the logits.": right_logits.log_softmax(-1),
            },
        )
    return "It erases as the model runs, and keeps what every block got."
