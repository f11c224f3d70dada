"""Checks of lesson 1.4, activation, path and attribution patching."""

import math

import torch

from utils.checks.engine import Wrong, exercise, expect, match


def _rows(batch: int) -> str:
    return f"{batch} rows" if batch > 1 else "one row"


@exercise("utils.circuits.patches.patch_position")
def check_patch_position(patch_position) -> str:
    """Two random activations, each axis of another size."""
    random = torch.Generator().manual_seed(0)
    for batch, pos in ((3, 2), (3, 0), (1, 4)):
        own, source = torch.randn(2, batch, 5, 4, generator=random)

        def put(where, value, into=own) -> torch.Tensor:
            patched = into.clone()
            patched[where] = value
            return patched

        at = (slice(None), pos)
        mistakes = {
            "Every position is patched: only `pos` should be.": source,
            "Nothing has changed: return the copy that you patched.": own,
            "The wrong way round: `activation` stays, and `source` gives one position.": put(
                at, own[at], source
            ),
            "You indexed the coordinates with `pos`. Positions are the second axis.": put(
                (..., pos % 4), source[..., pos % 4]
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
            "That is the mean of both runs. A patch puts the source in the place of what was "
            "there.": put(at, (own[at] + source[at]) / 2),
            "Off by one: positions count from 0.": put((slice(None), pos - 1), source[:, pos - 1]),
            "The position is set to zero: put the source's values there.": put(at, 0.0),
            "Every row got the first row's source: row by row, please.": put(at, source[0, pos]),
            "Every row got the mean of the source: row by row, please.": put(
                at, source[:, pos].mean(0)
            ),
        }
        if pos < batch:
            mistakes["You indexed the batch with `pos`. Positions are the second axis."] = put(
                pos, source[pos]
            )
        match(
            patch_position(own, source, pos),
            put(at, source[at]),
            what=f"The patched activation of {_rows(batch)}, with pos {pos},",
            mistakes=mistakes,
        )
    return "One position from the other run, the rest as it was."


@exercise("utils.circuits.patches.answer_log_prob")
def check_answer_log_prob(answer_log_prob) -> str:
    """Random logits; every log-probability is worked out one by one."""
    random = torch.Generator().manual_seed(1)
    d_vocab = 5
    for batch, n_pos, n_answer in ((2, 6, 3), (2, 4, 3), (3, 5, 1), (1, 6, 2)):
        logits = 2 * torch.randn(batch, n_pos, d_vocab, generator=random)
        tokens = torch.randint(d_vocab, (batch, n_pos), generator=random)
        log_probs = logits - logits.exp().sum(-1, keepdim=True).log()

        def each(values, shift: int = 1, *, n: int = n_answer, tokens=tokens, n_pos=n_pos):
            """The value of each of the last n tokens, `shift` positions before it."""
            return torch.stack(
                [
                    torch.stack([row[at - shift, ids[at]] for at in range(n_pos - n, n_pos)])
                    for row, ids in zip(values, tokens.tolist(), strict=True)
                ]
            )

        found, late = each(log_probs), each(log_probs, 0)
        match(
            answer_log_prob(logits, tokens, n_answer),
            found.sum(1),
            what=f"The log-probabilities, [batch], of {_rows(batch)} with n_answer {n_answer}",
            mistakes={
                "Did you shift by one? The logits at a position predict the *next* token.": (
                    late.sum(1)
                ),
                "Did you shift by one? And sum: the answer needs all of its tokens.": late.mean(1),
                "That is the mean over the answer's tokens. The answer's probability is a product, "
                "so its log is a sum.": found.mean(1),
                "Only the answer's first token is scored.": found[:, 0],
                "Only the answer's last token is scored.": found[:, -1],
                "The answer's first token is left out: it is predicted from the token before it.": (
                    found[:, 1:].sum(1)
                ),
                "Those are logits: turn them into log-probabilities first.": each(logits).sum(1),
                "That is a probability. Its log is asked for.": found.sum(1).exp(),
                "You added probabilities. A product of probabilities is a sum of their logs.": (
                    found.exp().sum(1)
                ),
                "That is the log of a sum of probabilities: the answer's is their product.": (
                    found.exp().sum(1).log()
                ),
                "The sign: that is a loss. Log-probabilities are below 0.": -found.sum(1),
                "Those are bits. Use natural logarithms (nats).": found.sum(1) / math.log(2),
                "One number for each token: sum over the answer.": found,
                "You averaged over the batch: keep one number for each row.": found.sum(1).mean(),
                "You summed over the batch too: keep one number for each row.": found.sum(),
                "A batch of one row keeps its axis, [1].": found.sum(1).squeeze(),
                "The whole text is scored: only the last `n_answer` tokens are the answer.": (
                    each(log_probs, n=n_pos - 1).sum(1)
                ),
                "All rows were scored on the first row's answer: each has its own.": each(
                    log_probs, tokens=tokens[:1].expand_as(tokens)
                ).sum(1),
                "The softmax runs over the positions: the vocabulary is the last axis.": each(
                    logits.log_softmax(1)
                ).sum(1),
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
    """Random inputs of a layer's heads, one of which receives."""
    random = torch.Generator().manual_seed(0)
    n_pos, n_heads, d_head, d_model = 3, 4, 5, 6
    for batch, receiver in ((2, 1), (2, 3), (1, 0)):
        inputs = torch.randn(batch, n_pos, n_heads, d_model, generator=random)
        own, source = torch.randn(2, batch, n_pos, d_head, generator=random)
        W_O = torch.randn(d_head, d_model, generator=random)

        def with_(change: torch.Tensor, at=receiver, inputs=inputs) -> torch.Tensor:
            changed = inputs.clone()
            changed[:, :, at] += change if isinstance(at, int) else change[:, :, None]
            return changed

        def instead(value: torch.Tensor, inputs=inputs, receiver=receiver) -> torch.Tensor:
            changed = inputs.clone()
            changed[:, :, receiver] = value
            return changed

        change = (source - own) @ W_O
        last = torch.zeros_like(change)
        last[:, -1] = change[:, -1]
        match(
            add_along_path(inputs, receiver=receiver, own=own, source=source, W_O=W_O),
            with_(change),
            what=f"The inputs of {_rows(batch)}, with head {receiver} as the receiver,",
            mistakes={
                "Every head of the layer receives. Along *one* path only `receiver` reads the "
                "change.": with_(change, slice(None)),
                "Every other head receives, and the receiver does not.": with_(
                    change, [h for h in range(n_heads) if h != receiver]
                ),
                "Another head receives: heads count from 0.": with_(
                    change, (receiver - 1) % n_heads
                ),
                "Another head than `receiver` receives.": with_(change, (receiver + 1) % n_heads),
                "The sign: the change is the source's write minus the run's own.": with_(-change),
                "The sign of the change is lost: add it as it is.": with_(change.abs()),
                "The run's own write is still in there: take it off, or the sender writes twice.": (
                    with_(source @ W_O)
                ),
                "You took the run's own write off and added nothing for it: that is an ablation of "
                "the path.": with_(-own @ W_O),
                "The input was *replaced* by the sender's write. The receiver reads the sum of all "
                "writers; only one term of it changes.": instead(source @ W_O),
                "The input was *replaced* by the change: add it.": instead(change),
                "Nothing has changed: return the copy that you changed.": inputs,
                "Only the last position receives: a sender writes at every position.": with_(last),
                "Every row got the first row's change: each has its own.": with_(
                    change[:1].expand_as(change)
                ),
                "The change is averaged over the rows: each has its own.": with_(
                    change.mean(0, keepdim=True).expand_as(change)
                ),
                "The change is divided by the number of heads: the receiver reads all of it.": (
                    with_(change / n_heads)
                ),
                "Return the inputs of all heads, and not the receiver's alone.": (
                    inputs[:, :, receiver] + change
                ),
                "That is the change alone: return the inputs with it.": change,
            },
        )
    return "One reader reads one writer's other write; everybody else reads what they read."


@exercise("utils.circuits.patches.attribution_scores")
def check_attribution_scores(attribution_scores) -> str:
    """A metric that *is* linear in the outputs, so that the estimate must be exact."""
    random = torch.Generator().manual_seed(2)
    for batch, n_pos, n_heads, d_head in ((2, 3, 4, 5), (1, 4, 2, 3)):
        shape = (3, batch, n_pos, n_heads, d_head)
        own, source, weights = torch.randn(*shape, generator=random)
        score = (weights * (source - own)).sum((0, 1, 3))
        wanted = torch.tensor([1.0, -1.0, -1.0, 1.0])[:n_heads]  # effects of both signs
        weights = weights * (score.sign() * wanted)[:, None]

        def metric(z: torch.Tensor, weights=weights) -> torch.Tensor:
            return (z * weights).sum()

        def exact(head: int, own=own, source=source, metric=metric) -> float:
            patched = own.clone()
            patched[:, :, head] = source[:, :, head]
            return float(metric(patched) - metric(own))

        right = torch.tensor([exact(head) for head in range(n_heads)])
        product = weights * (source - own)
        match(
            attribution_scores(weights, own, source),
            right,
            what=f"The scores, [head], of {n_heads} heads on {_rows(batch)}",
            mistakes={
                "The sign: the patch goes *from* the run's own output *to* the source's.": -right,
                "The run's own output is missing: a patch changes z by source minus own.": (
                    weights * source
                ).sum((0, 1, 3)),
                "That is gradient times the run's own output: what the heads would lose if they "
                "gave zero. The patch changes z by source minus own.": (weights * own).sum(
                    (0, 1, 3)
                ),
                "The gradient is missing.": (source - own).sum((0, 1, 3)),
                "You averaged over the batch. The metric is already a mean over prompts, so its "
                "gradient holds the division: sum.": product.sum((1, 3)).mean(0),
                "You averaged over positions. The head is patched at all of them at once: sum.": (
                    product.sum((0, 3)).mean(0)
                ),
                "You averaged over coordinates: a dot product is a sum.": product.sum((0, 1)).mean(
                    -1
                ),
                "That is a mean over everything but heads: sum.": product.mean((0, 1, 3)),
                "You took absolute values before summing: changes may cancel, and should.": (
                    product.abs().sum((0, 1, 3))
                ),
                "You took absolute values: the sign tells which patches do harm.": right.abs(),
                "You cut the scores off at 0: those below tell which patches do harm.": right.clamp(
                    min=0
                ),
                "Only the first row counts in yours: sum over the batch.": product[0].sum((0, 2)),
                "Only the last position counts in yours. The head is patched at all of them.": (
                    product[:, -1].sum((0, 2))
                ),
                "One score for each prompt: sum over the batch too.": product.sum((1, 3)),
                "One score for each position: sum over positions too.": product.sum((0, 3)),
                "You summed the gradient and the change separately. Multiply coordinate by "
                "coordinate first, then sum.": weights.sum((0, 1, 3))
                * (source - own).sum((0, 1, 3)),
                "You summed over heads: keep them.": product.sum((0, 1, 2)),
                "You summed over everything: keep the heads.": product.sum(),
                "That is the length of the product: a dot product keeps the sign.": product.pow(2)
                .sum((0, 1, 3))
                .sqrt(),
            },
        )
    return "Exact here, since the check's metric is linear. The model is not."


@exercise("utils.circuits.patches.patch_gradient", keeps_gradient=False)
def check_patch_gradient(patch_gradient) -> str:
    """A score whose gradient is known, so that it matters where it is taken."""
    random = torch.Generator().manual_seed(3)
    for batch, n_pos, d_model, pos in ((2, 3, 4, 1), (1, 4, 3, 0)):
        activation = torch.randn(batch, n_pos, d_model, generator=random)
        weights = torch.randn(batch, n_pos, d_model, generator=random)
        vector = torch.randn(d_model, generator=random)

        def rest(x: torch.Tensor, weights=weights) -> torch.Tensor:
            wanted = tuple(weights.shape)
            expect(
                tuple(x.shape) == wanted,
                f"`rest` was given shape {tuple(x.shape)}: hand it the whole patched activation, "
                f"{wanted} here.",
            )
            return (weights * x**3).sum() + (x.sum(1) ** 2).sum()

        def slope(x: torch.Tensor, weights=weights) -> torch.Tensor:
            return 3 * weights * x**2 + 2 * x.sum(1, keepdim=True)

        def put(value: torch.Tensor, activation=activation, pos=pos) -> torch.Tensor:
            patched = activation.clone()
            patched[:, pos] = value
            return patched

        found, own = slope(put(vector)), slope(activation)
        right = found[:, pos].sum(0)
        mistakes = {
            "That is the gradient at the *unpatched* activation. Patch first, then score.": (
                own[:, pos].sum(0)
            ),
            "That is the gradient for the whole activation: only the patched vector's is asked "
            "for.": found,
            "That is the gradient for the whole unpatched activation.": own,
            "One gradient for each row: the same vector stands in all rows, so autograd sums "
            "them.": found[:, pos],
            "That is the first row's gradient alone. The same vector stands in all rows: sum over "
            "rows.": found[0, pos],
            "You averaged over rows. The same vector stands in all of them: the gradients add "
            "up.": found[:, pos].mean(0),
            "The gradient is summed over all positions: the vector stands at `pos` alone.": (
                found.sum((0, 1))
            ),
            "The vector stands at every position: put it at `pos` alone.": slope(
                vector.expand_as(activation)
            ).sum((0, 1)),
            "The vector was *added* to what stood there: put it in its place.": slope(
                put(activation[:, pos] + vector)
            )[:, pos].sum(0),
            "The sign is turned round: the gradient points to where the score *rises*.": -right,
            "The sign is lost: a coordinate may lower the score.": right.abs(),
            "The gradient is scaled to length one: its length says how much the score rises.": (
                right / right.norm()
            ),
            "Zeros: the vector was copied in through `.data` or `.detach()`, so the score does not "
            "know of it.": torch.zeros(d_model),
        }
        # A cached activation may come out of a graph of its own.
        in_graph = activation.clone().requires_grad_() * 1
        for given, graph in (
            (activation, ""),
            (in_graph, " for an activation that has a graph of its own"),
        ):
            try:
                got = patch_gradient(rest, given, vector, pos)
            except Wrong as wrong:
                raise Wrong(_lost(str(wrong))) from None
            expect(
                got is not None,
                "You returned None. If you read `vector.grad`, you asked the wrong tensor: the "
                "gradient is at the copy that asks for gradients, and that was patched in.",
            )
            match(got, right, what=f"The gradient on {_rows(batch)}{graph}", mistakes=mistakes)
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
