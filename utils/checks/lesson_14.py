"""Checks of lesson 1.4, activation, path and attribution patching."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


@exercise("utils.circuits.patches.patch_position")
def check_patch_position(patch_position) -> str:
    """Two random activations, each axis of another size."""
    random = torch.Generator().manual_seed(0)
    own, source = torch.randn(2, 3, 5, 4, generator=random)
    pos = 2

    def put(where, value, into=own) -> torch.Tensor:
        patched = into.clone()
        patched[where] = value
        return patched

    at, given, given_source = (slice(None), pos), own.clone(), source.clone()
    got = patch_position(given, given_source, pos)
    match(
        got,
        put(at, source[at]),
        what="The patched activation",
        mistakes={
            "Every position is patched: only `pos` should be.": source,
            "Nothing has changed: return the copy that you patched.": own,
            "The wrong way round: `activation` stays, and `source` gives one position.": put(
                at, own[at], source
            ),
            "You indexed the batch with `pos`. Positions are the second axis.": put(
                pos, source[pos]
            ),
            "You indexed the coordinates with `pos`. Positions are the second axis.": put(
                (..., pos), source[..., pos]
            ),
            "Only the first row of the batch is patched.": put((0, pos), source[0, pos]),
            "All positions up to `pos` are patched: only `pos` itself should be.": put(
                (slice(None), slice(0, pos + 1)), source[:, : pos + 1]
            ),
            "All positions from `pos` on are patched: only `pos` itself should be.": put(
                (slice(None), slice(pos, None)), source[:, pos:]
            ),
            "The source was *added*. A patch puts it in the place of what was there.": put(
                at, own[at] + source[at]
            ),
            "Off by one: positions count from 0.": put((slice(None), pos - 1), source[:, pos - 1]),
            "Every row got the first row's source: row by row, please.": put(at, source[0, pos]),
        },
    )
    expect(
        torch.equal(given_source, source),
        "Right values, but `source` itself was changed: it stands in the cache of another run.",
    )
    expect(
        torch.equal(given, own),
        "Right values, but `activation` itself was changed. Here that is a cache; work on a copy.",
    )
    asks = [own.clone().requires_grad_(), source.clone().requires_grad_()]
    expect(
        patch_position(*asks, pos).requires_grad,
        "Right values, but the result has forgotten where it came from: no gradient can flow back. "
        "`.clone()` alone is a copy; leave `.detach()` and `.data` away.",
    )
    return "One position from the other run, the rest as it was."


@exercise("utils.circuits.patches.answer_log_prob")
def check_answer_log_prob(answer_log_prob) -> str:
    """Random logits; every log-probability is worked out one by one."""
    batch, n_pos, d_vocab, n_answer = 2, 6, 5, 3
    random = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(batch, n_pos, d_vocab, generator=random)
    tokens = torch.randint(d_vocab, (batch, n_pos), generator=random)

    def log_prob(row: int, at: int, token: int) -> float:
        values = logits[row, at].double()
        return float(values[token] - values.exp().sum().log())

    def each(shift: int) -> torch.Tensor:
        places = range(n_pos - n_answer, n_pos)
        return torch.tensor(
            [[log_prob(b, at - shift, int(tokens[b, at])) for at in places] for b in range(batch)]
        )

    found, late = each(1), each(0)
    raw = torch.tensor(
        [
            [float(logits[b, at - 1, tokens[b, at]]) for at in range(n_pos - n_answer, n_pos)]
            for b in range(batch)
        ]
    )
    whole = torch.tensor(
        [
            sum(log_prob(b, at - 1, int(tokens[b, at])) for at in range(1, n_pos))
            for b in range(batch)
        ]
    )
    match(
        answer_log_prob(logits.clone(), tokens.clone(), n_answer),
        found.sum(1),
        what="The log-probabilities, [batch],",
        mistakes={
            "Did you shift by one? The logits at a position predict the *next* token.": late.sum(1),
            "Did you shift by one? And sum: the answer needs all of its tokens.": late.mean(1),
            "That is the mean over the answer's tokens. The answer's probability is a product, so "
            "its log is a sum.": found.mean(1),
            "Only the answer's first token is scored.": found[:, 0],
            "Only the answer's last token is scored.": found[:, -1],
            "Those are logits: turn them into log-probabilities first.": raw.sum(1),
            "That is a probability. Its log is asked for.": found.sum(1).exp(),
            "You added probabilities. A product of probabilities is a sum of their logs.": (
                found.exp().sum(1)
            ),
            "The sign: that is a loss. Log-probabilities are below 0.": -found.sum(1),
            "One number for each token: sum over the answer.": found,
            "You averaged over the batch: keep one number for each row.": found.sum(1).mean(),
            "You summed over the batch too: keep one number for each row.": found.sum(),
            "The whole text is scored: only the last `n_answer` tokens are the answer.": whole,
        },
    )
    # A long answer of improbable tokens: its probability is 0 in float32, its logarithm is not.
    steep = torch.zeros(1, 5, d_vocab)
    steep[..., 0] = 60.0
    unlikely = answer_log_prob(steep, torch.ones(1, 5, dtype=torch.long), 4)
    expect(
        bool(torch.isfinite(torch.as_tensor(unlikely)).all()),
        "Right for probable answers, but minus infinity for an improbable one: the probability "
        "underflows to 0 before its log is taken. Work in logs from the start.",
    )
    match(
        unlikely,
        torch.tensor([-240.0]),
        what="The log-probability of an improbable answer",
        mistakes={},
    )
    return "All of the answer's tokens, each given everything before it."


@exercise("utils.circuits.patches.add_along_path")
def check_add_along_path(add_along_path) -> str:
    """Random inputs of four heads, one of which receives."""
    random = torch.Generator().manual_seed(0)
    batch, n_pos, n_heads, d_head, d_model, receiver = 2, 3, 4, 5, 6, 1
    inputs = torch.randn(batch, n_pos, n_heads, d_model, generator=random)
    own, source = torch.randn(2, batch, n_pos, d_head, generator=random)
    W_O = torch.randn(d_head, d_model, generator=random)

    def with_(change: torch.Tensor, at=receiver) -> torch.Tensor:
        changed = inputs.clone()
        changed[:, :, at] += change if isinstance(at, int) else change[:, :, None]
        return changed

    def instead(value: torch.Tensor) -> torch.Tensor:
        changed = inputs.clone()
        changed[:, :, receiver] = value
        return changed

    last = torch.zeros(batch, n_pos, d_model)
    last[:, -1] = ((source - own) @ W_O)[:, -1]
    given = inputs.clone()
    got = add_along_path(
        given, receiver=receiver, own=own.clone(), source=source.clone(), W_O=W_O.clone()
    )
    match(
        got,
        with_((source - own) @ W_O),
        what="The inputs",
        mistakes={
            "Every head of the layer receives. Along *one* path only `receiver` reads the "
            "change.": with_((source - own) @ W_O, slice(None)),
            "Every other head receives, and the receiver does not.": with_(
                (source - own) @ W_O, [h for h in range(n_heads) if h != receiver]
            ),
            "The sign: the change is the source's write minus the run's own.": with_(
                (own - source) @ W_O
            ),
            "The run's own write is still in there: take it off, or the sender writes twice.": (
                with_(source @ W_O)
            ),
            "You took the run's own write off and added nothing for it: that is an ablation of the "
            "path.": with_(-own @ W_O),
            "The input was *replaced* by the sender's write. The receiver reads the sum of all "
            "writers; only one term of it changes.": instead(source @ W_O),
            "The input was *replaced* by the change: add it.": instead((source - own) @ W_O),
            "Nothing has changed: return the copy that you changed.": inputs,
            "Only the last position receives: a sender writes at every position.": with_(last),
        },
    )
    expect(
        torch.equal(given, inputs),
        "Right values, but `inputs` itself was changed. Work on a copy: other heads read it too.",
    )
    return "One reader reads one writer's other write; everybody else reads what they read."


@exercise("utils.circuits.patches.attribution_scores")
def check_attribution_scores(attribution_scores) -> str:
    """A metric that *is* linear in the outputs, so that the estimate must be exact."""
    random = torch.Generator().manual_seed(2)
    batch, n_pos, n_heads, d_head = 2, 3, 4, 5
    own, source, weights = torch.randn(3, batch, n_pos, n_heads, d_head, generator=random)

    def metric(z: torch.Tensor) -> torch.Tensor:
        return (z * weights).sum()

    def exact(head: int) -> float:
        patched = own.clone()
        patched[:, :, head] = source[:, :, head]
        return float(metric(patched) - metric(own))

    right = torch.tensor([exact(head) for head in range(n_heads)])
    product = weights * (source - own)
    match(
        attribution_scores(weights.clone(), own.clone(), source.clone()),
        right,
        what="The scores, [head],",
        mistakes={
            "The sign: the patch goes *from* the run's own output *to* the source's.": -right,
            "The run's own output is missing: a patch changes z by source minus own.": (
                weights * source
            ).sum((0, 1, 3)),
            "That is gradient times the run's own output: what the heads would lose if they gave "
            "zero. The patch changes z by source minus own.": (weights * own).sum((0, 1, 3)),
            "The gradient is missing.": (source - own).sum((0, 1, 3)),
            "You averaged over the batch. The metric is already a mean over prompts, so its "
            "gradient holds the division: sum.": product.sum((1, 3)).mean(0),
            "You averaged over positions. The head is patched at all of them at once: sum.": (
                product.sum((0, 3)).mean(0)
            ),
            "You averaged over coordinates: a dot product is a sum.": product.sum((0, 1)).mean(-1),
            "That is a mean over everything but heads: sum.": product.mean((0, 1, 3)),
            "You took absolute values before summing: changes may cancel, and should.": (
                product.abs().sum((0, 1, 3))
            ),
            "You took absolute values: the sign tells which patches do harm.": right.abs(),
            "Only the last position counts in yours. The head is patched at all of them.": (
                product[:, -1].sum((0, 2))
            ),
            "One score for each prompt: sum over the batch too.": product.sum((1, 3)),
            "One score for each position: sum over positions too.": product.sum((0, 3)),
            "You summed the gradient and the change separately. Multiply coordinate by coordinate "
            "first, then sum.": weights.sum((0, 1, 3)) * (source - own).sum((0, 1, 3)),
            "You summed over heads: keep them.": product.sum((0, 1, 2)),
            "You summed over everything: keep the heads.": product.sum(),
        },
    )
    return "Exact here, since the check's metric is linear. The model is not."


@exercise("utils.circuits.patches.patch_gradient", keeps_gradient=False)
def check_patch_gradient(patch_gradient) -> str:
    """A cubic score, whose gradient is known, so that it matters where it is taken."""
    random = torch.Generator().manual_seed(3)
    batch, n_pos, d_model, pos = 2, 3, 4, 1
    activation = torch.randn(batch, n_pos, d_model, generator=random)
    weights = torch.randn(batch, n_pos, d_model, generator=random)
    vector = torch.randn(d_model, generator=random)

    def rest(x: torch.Tensor) -> torch.Tensor:
        expect(
            tuple(x.shape) == (batch, n_pos, d_model),
            f"`rest` was given shape {tuple(x.shape)}: hand it the whole patched activation, "
            f"{(batch, n_pos, d_model)} here.",
        )
        return (weights * x**3).sum()

    patched = activation.clone()
    patched[:, pos] = vector
    slope, slope_own = 3 * weights * patched**2, 3 * weights * activation**2
    right = slope[:, pos].sum(0)
    mistakes = {
        "That is the gradient at the *unpatched* activation. Patch first, then score.": (
            slope_own[:, pos].sum(0)
        ),
        "That is the gradient for the whole activation: only the patched vector's is asked "
        "for.": slope,
        "That is the gradient for the whole unpatched activation.": slope_own,
        "One gradient for each row: the same vector stands in all rows, so autograd sums them.": (
            slope[:, pos]
        ),
        "That is the first row's gradient alone. The same vector stands in all rows: sum over "
        "rows.": slope[0, pos],
        "You averaged over rows. The same vector stands in all of them: the gradients add up.": (
            slope[:, pos].mean(0)
        ),
        "The vector was *added* to what stood there: put it in its place.": (
            (3 * weights * (activation[:, pos] + vector)[:, None] ** 2)[:, pos].sum(0)
        ),
        "Zeros: the vector was copied in through `.data` or `.detach()`, so the score does not "
        "know of it.": torch.zeros(d_model),
    }
    given, given_vector = activation.clone(), vector.clone()
    try:
        got = patch_gradient(rest, given, given_vector, pos)
    except Wrong as wrong:
        raise Wrong(_lost(str(wrong))) from None
    expect(
        got is not None,
        "You returned None. If you read `vector.grad`, you asked the wrong tensor: the gradient is "
        "at the copy that asks for gradients, and that was patched in.",
    )
    match(got, right, what="The gradient", mistakes=mistakes)
    expect(
        torch.equal(given, activation) and not given.requires_grad,
        "Right gradient, but `activation` itself was changed. It is the cache of a run: copy it.",
    )
    expect(
        not given_vector.requires_grad and given_vector.grad is None,
        "Right gradient, but the caller's vector now asks for gradients. Work on a copy: "
        "`vector.detach().clone()`.",
    )
    # A cached activation may come out of a graph of its own.
    leaf = activation.clone().requires_grad_()
    match(
        patch_gradient(rest, leaf * 1, vector.clone(), pos),
        right,
        what="The gradient for an activation that has a graph of its own",
        mistakes=mistakes,
    )
    return "The gradient reaches the vector that was patched in, and nothing else was touched."


def _lost(message: str) -> str:
    if "does not require grad" in message or "not have been used in the graph" in message:
        return (
            "The gradient found no way back to the vector. Was it cut off by `.detach()`, "
            "`.data`, `.item()` or `torch.no_grad()` on the way? Or does the vector not ask for "
            "gradients before it is patched in?"
        )
    if "leaf Variable that requires grad" in message:
        return (
            "You wrote in place into a leaf, a tensor that itself asks for gradients. Let only "
            "the vector ask for them, and write it into a copy of the activation."
        )
    return message
