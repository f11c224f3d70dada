"""Checks of lesson 1.3, direct logit attribution."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


def _shapes_said(function, *arguments, shapes: str):
    """The function's result. If torch refuses its shapes, the verdict says which axis is which."""
    try:
        return function(*arguments)
    except Wrong as wrong:
        refused = any(name in str(wrong) for name in ("RuntimeError", "IndexError"))
        raise Wrong(f"{wrong} {shapes}" if refused else str(wrong)) from wrong


def _prompts(batch: int) -> str:
    return f"{batch} prompts" if batch > 1 else "a single prompt"


@exercise("utils.circuits.attribution.logit_diff")
def check_logit_diff(logit_diff) -> str:
    """Random logits with planted ones at the answers; the differences have both signs."""
    n_pos, d_vocab = 4, 7
    random = torch.Generator().manual_seed(0)
    pairs = torch.tensor([[2, 5], [6, 1], [0, 3]])
    planted = torch.tensor([[2.017, 0.503], [-1.009, 1.511], [-0.507, -1.213]])
    for batch in (3, 1):
        (right, wrong), rows = pairs[-batch:].T, range(batch)
        logits = torch.randn(batch, n_pos, d_vocab, generator=random)
        logits[rows, -1, right], logits[rows, -1, wrong] = planted[-batch:].T

        def pick(values: torch.Tensor, at: int, rows=rows, right=right, wrong=wrong):
            return torch.stack(
                [values[row, at, right[row]] - values[row, at, wrong[row]] for row in rows]
            )

        answer, last = pick(logits, n_pos - 1), logits[:, -1]
        every = torch.stack([pick(logits, at) for at in range(n_pos)], dim=1)
        match(
            logit_diff(logits, right, wrong),
            answer,
            what=f"The logit differences, [batch], of {_prompts(batch)}",
            mistakes={
                "The sign: right minus wrong.": -answer,
                "The sign is lost: where the model prefers the wrong name, the difference is below "
                "0.": answer.abs(),
                "You cut it off at 0: where the model prefers the wrong name, the difference is "
                "below 0.": answer.clamp(min=0),
                "That is only the sign of the difference: its size is asked for.": answer.sign(),
                "That is the first position. The *last* one predicts the name.": pick(logits, 0),
                "Off by one: the last position predicts the name, not the one before it.": pick(
                    logits, n_pos - 2
                ),
                "One value for each position: keep the last only.": every,
                "You averaged over positions: keep the last only.": every.mean(1),
                "A single number: keep one for each row.": answer.mean(),
                "That is the sum over rows: keep one for each row.": answer.sum(),
                "A batch of one prompt keeps its axis, [1].": answer.squeeze(),
                "Each row met the tokens of *all* rows, so the result is [batch, batch]. Index "
                "rows and tokens together.": last[:, right] - last[:, wrong],
                "`[:, right]` takes the tokens of *all* rows for each row, and the mean mixes "
                "them. Index rows and tokens together.": (last[:, right] - last[:, wrong]).mean(-1),
                "`[:, right]` takes the tokens of *all* rows for each row, and the mean over the "
                "rows mixes them. Index rows and tokens together.": (
                    (last[:, right] - last[:, wrong]).mean(0)
                ),
                "All rows were given the first row's pair of tokens: each has its own.": (
                    last[:, right[0]] - last[:, wrong[0]]
                ),
                "Those are probabilities: a difference of *logits* is asked for.": pick(
                    logits.softmax(-1), n_pos - 1
                ),
                "That is a quotient of logits: subtract them.": last[rows, right]
                / last[rows, wrong],
                "Only the right token's logit: subtract the wrong one's.": last[rows, right],
            },
        )
    return (
        "Right minus wrong at the last position, row by row. (With log-probabilities too: they "
        "take the same number off both logits, and it cancels.)"
    )


@exercise("utils.circuits.attribution.logit_diff_direction")
def check_logit_diff_direction(logit_diff_direction) -> str:
    """A random unembedding, and a norm whose weights have both signs."""
    d_model, d_vocab = 6, 9
    random = torch.Generator().manual_seed(1)
    for batch in (3, 1):
        W_U = torch.randn(d_model, d_vocab, generator=random)
        weight = 0.5 + torch.rand(d_model, generator=random)
        weight[::2] *= -1
        right, wrong = torch.tensor([[1, 4, 0], [3, 0, 5]])[:, :batch]
        plain = torch.stack(
            [W_U[:, a] - W_U[:, b] for a, b in zip(right.tolist(), wrong.tolist(), strict=True)]
        )
        answer = torch.stack([row * weight for row in plain])
        match(
            _shapes_said(
                logit_diff_direction,
                *(W_U, weight, right, wrong),
                shapes="Taken from `W_U`, the columns are [d_model, batch], and the norm's weights "
                "[d_model].",
            ),
            answer,
            what=f"The directions, [batch, d_model], of {_prompts(batch)}",
            mistakes={
                "The norm's weight is missing. After the division by the scale, each coordinate is "
                "multiplied by its weight, before `W_U`.": plain,
                "You took the absolute value of the norm's weights: one below 0 turns its "
                "coordinate round.": plain * weight.abs(),
                "The sign is lost: a coordinate may speak for the wrong name.": answer.abs(),
                "You divided by the norm's weight. The model multiplies by it.": plain / weight,
                "The norm's weight is in it twice.": answer * weight,
                "The norm's weight is added: multiply by it.": plain + weight,
                "1 is added to the norm's weight: take it as it is.": plain * (1 + weight),
                "The sign: right minus wrong.": -answer,
                "The axes are swapped: one row for each prompt.": answer.T,
                "A batch of one prompt keeps its axis, [1, d_model].": answer.squeeze(),
                "All prompts were given the first one's pair of tokens: each has its own.": (
                    answer[:1].expand_as(answer)
                ),
                "One direction for all prompts: each has its own.": answer.mean(0),
                "You added the two columns: subtract them.": (
                    weight * (W_U[:, right] + W_U[:, wrong]).T
                ),
                "Only the right token: subtract the column of the wrong one.": (
                    weight * W_U[:, right].T
                ),
                "You took rows of `W_U`. A token's vector is a *column*: [d_model, d_vocab].": (
                    W_U[right] - W_U[wrong]
                ),
                "You took rows of `W_U`, [d_model, d_vocab]. A token's vector is a *column*.": (
                    weight[right, None] * W_U[right] - weight[wrong, None] * W_U[wrong]
                ),
                "Scaled to length one: then a dot product with it is no longer in logits.": (
                    answer / answer.norm(dim=-1, keepdim=True)
                ),
            },
        )
    return "A dot product with it, after the division, is the logit difference."


@exercise("utils.circuits.attribution.direct_logit_attribution")
def check_direct_logit_attribution(direct_logit_attribution) -> str:
    """Random parts that are not the whole stream; every entry worked out by itself."""
    random = torch.Generator().manual_seed(2)
    for n_parts, batch, d_model in ((4, 3, 5), (3, 1, 4)):
        parts = torch.randn(n_parts, batch, d_model, generator=random)
        direction = torch.randn(batch, d_model, generator=random)
        scale = 1 + 2 * torch.rand(batch, generator=random)
        dots = torch.tensor(
            [[float(parts[p, b] @ direction[b]) for b in range(batch)] for p in range(n_parts)]
        )
        answer = torch.stack([dots[:, b] / scale[b] for b in range(batch)], dim=1)
        match(
            direct_logit_attribution(parts, direction, scale),
            answer,
            what=f"The attributions, [part, batch], for {_prompts(batch)}",
            mistakes={
                "The scale is missing: the model divides the stream by it.": dots,
                "You multiplied by the scale: the model divides by it.": dots * scale,
                "You worked the scale out from `parts`, which need not be the whole stream: take "
                "the `scale` that you are given.": dots / parts.sum(0).pow(2).mean(-1).sqrt(),
                "Each part is divided by its *own* scale. Divide all of them by the scale of the "
                "whole stream, or they do not sum to the logit difference.": (
                    dots / parts.pow(2).mean(-1).sqrt()
                ),
                "Each part is divided by its own length. Divide by the `scale` you were given.": (
                    dots / parts.norm(dim=-1)
                ),
                "One scale for all prompts: each has its own.": dots / scale.mean(),
                "All prompts were divided by the first one's scale: each has its own.": (
                    dots / scale[0]
                ),
                "All prompts were held against the first one's direction: each has its own.": (
                    (parts @ direction[0]) / scale
                ),
                "All prompts were held against the mean direction: each has its own.": (
                    (parts @ direction.mean(0)) / scale
                ),
                "Each prompt's part met every prompt's direction: [part, batch, batch]. Its own is "
                "asked for.": (parts @ direction.T) / scale,
                "Each prompt's part met every prompt's direction, so the result is [part, batch, "
                "batch]. Its own is asked for.": (parts @ direction.T) / scale[:, None],
                "Each prompt's part met every prompt's direction, and the scale is missing: [part, "
                "batch, batch].": parts @ direction.T,
                "The sign is lost: a part may write for the wrong name.": answer.abs(),
                "You cut it off at 0: a part may write for the wrong name.": answer.clamp(min=0),
                "The axes are swapped: parts first, then prompts.": answer.T,
                "A batch of one prompt keeps its axis, [part, 1].": answer.squeeze(),
                "You summed over the parts: keep them apart.": answer.sum(0),
                "You averaged over the prompts: keep them apart.": answer.mean(1),
                "That is a mean over d_model: a dot product is a sum.": answer / d_model,
                "A cosine says which way a part points, and forgets how much was written.": (
                    dots / (parts.norm(dim=-1) * direction.norm(dim=-1))
                ),
                "The direction is scaled to length one: then the result is no longer in logits.": (
                    answer / direction.norm(dim=-1)
                ),
                "The products are there, but not summed over d_model.": (
                    parts * direction / scale[:, None]
                ),
            },
        )
    return "All parts on one scale, so that they sum to the whole."


@exercise("utils.circuits.attribution.head_outputs")
def check_head_outputs(head_outputs) -> str:
    """Random heads; each vector is one matrix product."""
    random = torch.Generator().manual_seed(3)
    for batch, n_heads, d_head, d_model in ((2, 3, 4, 5), (1, 2, 5, 3)):
        z = torch.randn(batch, n_heads, d_head, generator=random)
        W_O = torch.randn(n_heads, d_head, d_model, generator=random)
        answer = torch.stack(
            [torch.stack([z[b, h] @ W_O[h] for b in range(batch)]) for h in range(n_heads)]
        )
        every = torch.stack(
            [torch.stack([z[:, i] @ W_O[j] for j in range(n_heads)]) for i in range(n_heads)]
        )  # [head of z, head of W_O, batch, d_model]
        got = _shapes_said(
            head_outputs,
            *(z, W_O),
            shapes="In `z`, [batch, head, d_head], the head is axis 1; in `W_O`, [head, d_head, "
            "d_model], it is axis 0. `@` lines up axes by their place.",
        )
        expect(
            not isinstance(got, (list, tuple)),
            "You returned a list of tensors: make one of it with `torch.stack`.",
        )
        match(
            got,
            answer,
            what=f"The heads' outputs, [head, batch, d_model], for {_prompts(batch)}",
            mistakes={
                "A batch of one prompt keeps its axis, [head, 1, d_model].": answer.squeeze(1),
                "Right vectors, axes in another order: head first, then batch.": answer.transpose(
                    0, 1
                ),
                "The heads are joined along the batch: `torch.stack` makes a new first axis.": (
                    answer.flatten(0, 1)
                ),
                "The heads are joined along d_model: `torch.stack` makes a new first axis.": (
                    answer.transpose(0, 1).flatten(1)
                ),
                "You summed over the heads. That is what the attention writes; keep them apart.": (
                    answer.sum(0)
                ),
                "You averaged over the heads: keep them apart.": answer.mean(0),
                "Every head went through the first head's W_O: each has its own.": every[:, 0],
                "Every head went through the sum of all W_O: each has its own.": every.sum(1),
                "All heads' z were added up first: each head goes through its own W_O alone.": (
                    every.sum(0)
                ),
                "Each head went through every head's W_O: its own is asked for.": every,
                "`reshape` does not move axes, it only cuts the numbers anew, so heads and prompts "
                "got mixed up. Swap axes with `transpose`, or name them with `einsum`.": (
                    z.reshape(n_heads, batch, d_head) @ W_O
                ),
                "You averaged over the batch: keep the prompts apart.": answer.mean(1),
                "All prompts have the first one's outputs: each has its own `z`.": (
                    answer[:, :1].expand_as(answer)
                ),
            },
        )
    return "Each head's own share of what the attention writes."


@exercise("utils.circuits.attribution.predicted_effect")
def check_predicted_effect(predicted_effect) -> str:
    """Random outputs with a large mean, so that zero and mean ablation differ."""
    random = torch.Generator().manual_seed(4)
    for batch, d_model in ((4, 3), (3, 5), (1, 2)):
        written = torch.randn(batch, d_model, generator=random)
        written += torch.tensor([2.0, -2.0, 2.0, -2.0, 2.0])[:d_model]
        direction = torch.randn(batch, d_model, generator=random)
        scale = 1 + torch.rand(batch, generator=random)
        mean = sum(written[b] for b in range(batch)) / batch
        answer = torch.stack([(mean - written[b]) @ direction[b] / scale[b] for b in range(batch)])

        def instead(
            vector: torch.Tensor, written=written, direction=direction, scale=scale
        ) -> torch.Tensor:
            return ((vector - written) * direction).sum(-1) / scale

        own = (written * direction).sum(-1) / scale
        match(
            predicted_effect(written, direction, scale),
            answer,
            what=f"The predicted changes, [batch], of {_prompts(batch)}",
            mistakes={
                "The sign: after minus before. Taking a helpful part away lowers the difference.": (
                    -answer
                ),
                "The sign is lost: the difference may rise or fall.": answer.abs(),
                "That is zero ablation: in place of the part comes its *mean* over the prompts.": (
                    -own
                ),
                "That is the part's attribution. In place of the part comes its mean, and a change "
                "is asked for.": own,
                "That is what the mean would add. A change is asked for: take off what the part "
                "wrote.": own + answer,
                "You averaged attributions. Average the *vectors*: each prompt holds the same mean "
                "vector against its own direction.": own.mean() - own,
                "That is a mean over d_model. The mean is a vector, taken over the prompts.": (
                    instead(written.mean(-1, keepdim=True))
                ),
                "The mean runs over everything. It is a vector, taken over the prompts.": (
                    instead(written.mean())
                ),
                "That is the *sum* of what was written on all prompts: take the mean.": (
                    instead(written.sum(0))
                ),
                "A prompt is left out of its own mean: the mean runs over the whole batch.": (
                    instead((written.sum(0) - written) / max(1, batch - 1))
                ),
                "That is the median over the prompts: take the mean.": (
                    instead(written.median(0).values)
                ),
                "In place of the part comes what it wrote on the first prompt: take the mean.": (
                    instead(written[0])
                ),
                "The scale is missing: divide by it, as in the attribution.": answer * scale,
                "You multiplied by the scale: divide by it.": answer * scale**2,
                "One scale for all prompts: each has its own.": answer * scale / scale.mean(),
                "All prompts were divided by the first one's scale: each has its own.": (
                    answer * scale / scale[0]
                ),
                "All prompts were held against the mean direction: each has its own.": (
                    (mean - written) @ direction.mean(0) / scale
                ),
                "All prompts were held against the first one's direction: each has its own.": (
                    (mean - written) @ direction[0] / scale
                ),
                "That is a mean over d_model at the end: a dot product is a sum.": answer / d_model,
                "A single number: keep one for each prompt.": answer.mean(),
                "A batch of one prompt keeps its axis, [1].": answer.squeeze(),
            },
        )
    return "The direct effect: what changes if no later part reacts."


@exercise("utils.circuits.attribution.ablation_split")
def check_ablation_split(ablation_split) -> str:
    """Random runs before and after, with scales that rise and fall."""
    random = torch.Generator().manual_seed(5)
    for n_parts, batch, d_model in ((4, 3, 5), (2, 1, 4)):
        before = torch.randn(n_parts, batch, d_model, generator=random)
        after = before + 0.5 * torch.randn(n_parts, batch, d_model, generator=random)
        direction = 4 * torch.randn(batch, d_model, generator=random)
        old = 1 + torch.rand(batch, generator=random)
        new = old * torch.tensor([1.3, 0.8, 1.2])[:batch]

        def dots(parts: torch.Tensor, direction=direction) -> torch.Tensor:
            rows = [[float(x @ d) for x, d in zip(part, direction, strict=True)] for part in parts]
            return torch.tensor(rows)

        def own_scale(parts: torch.Tensor) -> torch.Tensor:
            return parts.sum(0).pow(2).mean(-1).sqrt()

        was, now = dots(before), dots(after)
        by_part = (now - was) / old
        total = now.sum(0) / new - was.sum(0) / old
        norm = total - by_part.sum(0)
        got = ablation_split(before, after, direction, old, new)
        expect(
            isinstance(got, (tuple, list)) and len(got) == 2,
            "Return two tensors: the parts' shares, [part, batch], and the norm's, [batch].",
        )
        match(
            got[0],
            by_part,
            what=f"The parts' shares, [part, batch], for {_prompts(batch)}",
            mistakes={
                "The sign: after minus before.": -by_part,
                "The sign is lost: a part may push either way.": by_part.abs(),
                "The parts' changes are counted at the scale of the run *after*. Use the one "
                "before, so that what the new scale does is left for the norm's share.": (
                    (now - was) / new
                ),
                "The parts' changes are counted at the mean of the two scales. Use the one "
                "before.": 2 * (now - was) / (old + new),
                "Each run is divided by its own scale, so the norm's share is hidden inside the "
                "parts. Count both at the scale before.": now / new - was / old,
                "You worked the scale out from the parts: take the ones that you are given.": (
                    (now - was) / own_scale(before)
                ),
                "The scale is missing: divide by the one before.": now - was,
                "You multiplied by the scale: divide by the one before.": (now - was) * old,
                "The two results are swapped: the parts' shares come first.": norm,
                "A batch of one prompt keeps its axis, [part, 1].": by_part.squeeze(),
                "You summed over the parts: keep them apart.": by_part.sum(0),
                "You averaged over the prompts: keep them apart.": by_part.mean(1),
                "All prompts were held against the first one's direction: each has its own.": (
                    ((after - before) @ direction[0]) / old
                ),
            },
        )
        match(
            got[1],
            norm,
            what=f"The norm's share, [batch], for {_prompts(batch)}",
            mistakes={
                "The sign of the norm's share: a larger scale afterwards makes a positive "
                "difference smaller.": -norm,
                "The sign of the norm's share is lost: a scale may rise or fall.": norm.abs(),
                "That is the whole effect. The norm's share is what is left of it when the parts' "
                "shares are taken off.": total,
                "That is what the new scale does to the stream *before*. The parts have changed "
                "already: it acts on the stream after.": was.sum(0) / new - was.sum(0) / old,
                "That is only the change of the scale. How much does it change the logit "
                "difference?": new - old,
                "That is the ratio of the scales. How much does it change the logit difference?": (
                    old / new
                ),
                "The norm's share is zero only if the scale stays the same, and it does not.": (
                    torch.zeros(batch)
                ),
                "One share for each part: the norm acts on the whole stream, [batch].": (
                    now / new - now / old
                ),
                "That is a mean over the parts: the stream is their sum.": norm / n_parts,
                "A single number: keep one for each prompt.": norm.mean(),
                "A batch of one prompt keeps its axis, [1].": norm.squeeze(),
            },
        )
    return "Every share of the effect, and they sum to the whole."
