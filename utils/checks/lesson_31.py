"""Checks of lesson 3.1, steering vectors."""

import math
from collections.abc import Callable

import torch

from utils.checks.engine import exercise, expect, match
from utils.checks.inputs import described


@exercise("utils.writing.contrast.mean_over_tokens", in_double=True)
def check_mean_over_tokens(mean_over_tokens) -> str:
    """Three rows of 4, 5 and 3 tokens with padding that is large, then the third row alone."""
    resid = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
    resid[:, 0] += 50  # BOS stands far out
    lengths = torch.tensor([4, 5, 3])
    for row, length in enumerate(lengths.tolist()):
        resid[row, length:] = 900.0

    def means(first: int, end: int = 0) -> torch.Tensor:
        return torch.stack(
            [resid[row, first : n + end].mean(0) for row, n in enumerate(lengths.tolist())]
        )

    def of_one_length(n: int) -> torch.Tensor:
        return resid[:, 1:n].mean(1)

    right, n_text = means(1), lengths[:, None] - 1
    match(
        mean_over_tokens(resid, lengths),
        right,
        what="Your tensor of means",
        mistakes={
            "BOS is in the mean. Its vector is unlike all others: start at position 1.": means(0),
            "Padding is in the mean: use `lengths`.": resid[:, 1:].mean(1),
            "BOS and padding are in the mean: which positions hold text?": resid.mean(1),
            "You took the first row's length for all rows: each has its own.": of_one_length(4),
            "You took the shortest row's length for all rows: each has its own.": of_one_length(3),
            "The last token of each text is missing. Positions 1 to `lengths - 1` are text, and "
            "both ends count.": means(1, -1),
            "A token of padding is in the mean: `lengths` counts BOS, so the last token of a text "
            "stands at `lengths - 1`.": torch.stack(
                [resid[row, 1 : n + 1].mean(0) for row, n in enumerate(lengths.tolist())]
            ),
            "The sum is right, but you divided it by the wrong number: how many tokens of this "
            "row did you add up?": right * n_text / lengths[:, None],
            "The sum is right, but you divided it by the number of columns: how many tokens of "
            "each row did you add up?": right * n_text / 5,
            "That is a sum: divide by how many tokens you added up.": right * n_text,
            "The sum is right, but you divided it by the number of tokens in all rows together: "
            "each row has its own.": right * n_text / n_text.sum(),
            "That is the last token alone: take the mean over all of the text.": torch.stack(
                [resid[row, n - 1] for row, n in enumerate(lengths.tolist())]
            ),
            "You averaged over the batch; average over the positions of each row.": resid.mean(0),
            "That is one vector for all texts: each row has its own mean.": right.mean(0),
            "The signs are lost: a mean of numbers below 0 is below 0.": right.abs(),
        },
    )
    match(
        mean_over_tokens(resid[2:3], lengths[2:3]),
        right[2:3],
        what="The mean of one text alone, [1, d_model],",
        mistakes={"The axis of the batch is lost when it has one text.": right[2]},
    )
    return "Text alone, without BOS and without padding."


@exercise("utils.steering.at_dose")
def check_at_dose(at_dose) -> str:
    """One direction, then three at once, six in a table, and a push the other way."""
    one = torch.tensor([-3.0, 4.0])
    unit = torch.tensor([[-0.6, 0.8], [0.0, 1.0], [0.6, -0.8]])
    three = unit * torch.tensor([[5.0], [0.5], [10.0]])
    table = torch.stack([three, 3 * three.flip(0)])
    norm = 19.37
    for direction, dose, units, which in [
        (one, 0.4, unit[0], "one direction"),
        (three, 0.4, unit, "three directions"),
        (three[:1], 0.4, unit[:1], "a table of one direction, [1, d_model],"),
        (three, 2.5, unit, "a dose above 1"),
        (table, 0.4, torch.stack([unit, unit.flip(0)]), "directions in a table, [2, 3, d_model],"),
        (one, -0.4, unit[0], "a dose below 0"),
    ]:
        length = direction.norm(dim=-1, keepdim=True)
        right = units * dose * norm
        match(
            at_dose(direction, dose, norm=norm),
            right,
            what=f"The vector for {which}",
            mistakes={
                "The sign of the dose is lost: a dose below 0 pushes the other way.": units
                * abs(dose)
                * norm,
                "The signs of the entries are lost: the vector should point along the "
                "direction.": units.abs() * dose * norm,
                "The direction's own length is still in it: divide by it first.": (
                    direction * dose * norm
                ),
                "Its length is `dose`, and should be `dose` times the typical norm.": units * dose,
                "Its length is the typical norm: the dose is missing."
                if dose < 1
                else "The dose is held at 1 or below: take it as it comes.": units * norm,
                "That is a unit vector. How long should it be?": units,
                "The dose multiplies the direction's own length: put the typical norm in its "
                "place.": direction * dose,
                "The rows share one length: each row has its own norm. See `dim` and `keepdim` of "
                "`norm`.": direction / direction.norm() * dose * norm,
                "You divided all rows by the mean of their lengths: each row has its own.": (
                    direction / length.mean() * dose * norm
                ),
                "You divided all rows by the length of the first: each row has its own.": (
                    direction / length.flatten()[0] * dose * norm
                ),
                "Those are norms of columns: one vector is a row, the last axis.": direction
                / direction.norm(dim=0)
                * dose
                * norm,
                "Multiply by the typical norm; you divided by it.": units * dose / norm,
                "No length is left: a dose below 0 pushes the other way.": 0 * right,
                "You divided by the square of the direction's length.": right / length,
                "You divided by the sum of the entries' sizes. The length is the root of the sum "
                "of squares, `norm`.": direction
                / direction.abs().sum(-1, keepdim=True)
                * dose
                * norm,
            },
        )
    return "A dose is a length: in units of the residual stream's own."


@exercise("utils.steering.random_directions", in_double=True)
def check_random_directions(random_directions) -> str:
    """A long vector along one axis, so that what is random about the answer can be seen."""
    like = torch.zeros(40)
    like[3] = 2.5

    def from_seed(seed: int):
        drawn = random_directions(300, like, generator=torch.Generator().manual_seed(seed))
        is_double = isinstance(drawn, torch.Tensor) and drawn.dtype == torch.float64
        return drawn.to(like) if is_double else drawn

    before = torch.get_rng_state()
    drawn = from_seed(0)
    expect(isinstance(drawn, torch.Tensor), "Return a tensor, [n, d_model].")
    expect(
        tuple(drawn.shape) == (300, 40),
        f"The shape should be (300, 40), [n, d_model], and is {tuple(drawn.shape)}.",
    )
    expect(drawn.dtype == like.dtype, f"The directions are {drawn.dtype}, and `like` {like.dtype}.")
    lengths = drawn.norm(dim=-1)
    expect(
        not torch.allclose(lengths, torch.ones(300), atol=1e-3),
        "These are unit vectors: each should be as long as `like`.",
    )
    expect(
        not abs(drawn.norm().item() - 2.5) < 1e-3,
        "All rows together are as long as `like`: give each row that length. See `dim` and "
        "`keepdim` of `norm`.",
    )
    expect(
        torch.allclose(lengths, torch.full((300,), 2.5), atol=1e-3),
        f"Each row should be as long as `like` (2.5 here); the first has length {lengths[0]:.3g}.",
    )
    expect(not torch.equal(drawn[0], drawn[1]), "All rows are the same direction: draw n of them.")
    expect(
        (drawn.abs() > 1e-6).float().mean().item() > 0.9,
        "Most entries are zero, as in `like`: draw new directions, do not reorder its entries.",
    )
    mean = drawn.mean(0).norm().item()
    expect(
        mean < 0.5,
        "The directions are not spread evenly, they lean to one side: `torch.rand` has only "
        "positive entries. Which distribution has no preferred direction?",
    )
    entries = drawn.flatten()  # the fourth moment is 3 for a normal, 1.8 for a uniform distribution
    fourth = ((entries**4).mean() / (entries**2).mean() ** 2).item()
    expect(
        2.5 < fourth < 3.3,
        "Some directions are likelier than others: entries between two ends, as of "
        "`torch.rand - 0.5`, prefer the corners of a cube. Which distribution prefers none?",
    )
    expect(
        (drawn @ like).abs().mean().item() > 0.05 * 2.5**2,
        "All rows are at right angles to `like`: nothing should be taken out of the draw.",
    )
    expect(
        torch.equal(before, torch.get_rng_state()),
        "Your function moves torch's global random numbers. Draw from the `generator`, so that no "
        "other result depends on this one.",
    )
    expect(
        torch.equal(drawn, from_seed(0)),
        "A generator of the same seed gives different directions: draw from the `generator`.",
    )
    other = from_seed(1)
    expect(
        not torch.equal(drawn, other),
        "A generator of another seed gives the same directions: draw from the `generator`, and do "
        "not seed it again.",
    )
    expect(
        (drawn @ other.mT).max().item() < 0.95 * 2.5**2,
        "Generators of two seeds share some of their directions: draw all rows from the "
        "`generator` as it comes, without seeding.",
    )
    generator = torch.Generator().manual_seed(2)
    first, second = (random_directions(1, 2 * like, generator=generator) for _ in range(2))
    expect(
        isinstance(first, torch.Tensor) and tuple(first.shape) == (1, 40),
        f"For n = 1 the answer is a table of one row, [1, d_model], not {described(first)}.",
    )
    expect(
        abs(first.norm().item() - 5) < 1e-3,
        f"A single row should be as long as `like` (5 here), and has length {first.norm():.3g}.",
    )
    expect(
        not torch.equal(first, second),
        "Two calls with one generator give the same directions: let the generator go on, and do "
        "not copy or seed it.",
    )
    return "As long as the steering vector, and pointing anywhere."


@exercise("utils.writing.contrast.add_from")
def check_add_from(add_from) -> str:
    """A whole text at once, then a token at a time as with a cache, then a piece in between."""
    random = torch.Generator().manual_seed(1)
    vector = torch.randn(3, generator=random)
    for batch, here, past, start, which in [
        (2, 5, 0, 2, "with the whole text at once (past = 0)"),
        (2, 5, 0, 0, "with start = 0"),
        (2, 5, 2, 4, "with five new tokens behind a cache (past = 2, start = 4)"),
        (2, 4, 6, 4, "with four new tokens behind a cache (past = 6, start = 4)"),
        (2, 1, 6, 4, "with one new token behind a cache (past = 6, start = 4)"),
        (2, 1, 4, 4, "with one new token at the very position `start` (past = 4, start = 4)"),
        (2, 1, 3, 4, "with one new token before `start` (past = 3, start = 4)"),
        (2, 4, 0, 9, "with a text that ends before `start` (past = 0, start = 9)"),
        (1, 5, 0, 2, "with a batch of one text (past = 0, start = 2)"),
        (1, 1, 6, 4, "with one new token of one text (past = 6, start = 4)"),
    ]:
        resid = torch.randn(batch, here, 3, generator=random)
        positions = past + torch.arange(here)

        def added(where: torch.Tensor, resid=resid) -> torch.Tensor:
            return resid + where[:, None].float() * vector

        right = added(positions >= start)
        from_end = {
            f"Some of the new tokens are left out, {which}: `start - past` may be negative, and a "
            "slice then counts from the end.": added(positions >= here + start)
        }
        match(
            add_from(resid, vector, start=start, past=past),
            right,
            what=f"The residual stream {which}",
            mistakes=(from_end if start < past < start + here else {})
            | {
                f"The cache is forgotten, {which}: `resid[:, 0]` is position `past` of the text, "
                "not position 0.": added(torch.arange(here) >= start),
                f"Off by one, {which}: `start` itself is steered too.": added(positions > start),
                f"That adds to the positions before `start`, {which}.": added(positions < start),
                f"That adds to `start` alone, {which}: go on from there.": added(
                    positions == start
                ),
                f"That adds to every position, {which}.": added(positions >= 0),
                f"That adds to the first text alone, {which}: steer every row.": torch.cat(
                    [right[:1], resid[1:]]
                ),
                f"The sign, {which}: add the vector.": 2 * resid - right,
                f"You return what is added, {which}: return the stream with it.": right - resid,
                f"You return the steered positions alone, {which}: keep the others too.": right[
                    :, positions >= start
                ],
                f"You return the vector in place of the stream, {which}: *add* it.": torch.where(
                    (positions >= start)[:, None], vector, resid
                ),
                f"Nothing is added, {which}. The first of these tokens is position `past` of the "
                "text.": resid,
            },
        )
    return "The same positions are steered, whether the text comes at once or token by token."


@exercise("utils.writing.fluency.token_losses", course_only=True)
def check_token_losses(token_losses) -> str:
    """A model whose logits depend on the sum of all tokens so far, so that a lost prompt shows."""
    d_vocab = 7
    table = torch.randn(50, d_vocab, generator=torch.Generator().manual_seed(2)) * 2

    def model(tokens, *args, **kwargs):
        return table[tokens.cumsum(1) % 50]

    prompts = torch.tensor([[1, 4, 2], [1, 6, 6]])
    written = torch.tensor([[3, 0, 5, 5], [2, 2, 6, 1]])
    whole = torch.cat([prompts, written], dim=1)
    log_probs = model(whole).log_softmax(-1)

    def picked(log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return -log_probs.gather(-1, targets[..., None])[..., 0]

    right = picked(log_probs[:, 2:-1], written)
    alone = picked(model(written).log_softmax(-1)[:, :-1], written[:, 1:])
    one_loss = "return one loss for each."
    match(
        token_losses(model, prompts, written),
        right,
        what="Your tensor of losses",
        mistakes={
            "Off by one: the logits at a position predict the *next* token. You scored the token "
            "that the model has just read.": picked(log_probs[:, 3:], written),
            "The prompt is scored too: keep the losses of the written tokens.": picked(
                log_probs[:, :-1], whole[:, 1:]
            ),
            "The first written token is missing: the prompt's last logits predict it.": right[
                :, 1:
            ],
            "The model has not read the prompt: run it on prompt and text together.": alone,
            "The model has not read the prompt, and you scored tokens that it has just read: run "
            "it on prompt and text together.": picked(model(written).log_softmax(-1), written),
            "The sign: a loss is *minus* the log-probability.": -right,
            "Those are probabilities: take minus their logarithm.": (-right).exp(),
            "Those are perplexities: leave out the last `exp`.": right.exp(),
            "Those are bits: take the natural logarithm, for nats.": right / math.log(2),
            "Those are logits: use `log_softmax` over the vocabulary first.": picked(
                model(whole)[:, 2:-1], written
            ),
            "The softmax runs over positions: it belongs over the vocabulary, the last "
            "axis.": picked(model(whole).log_softmax(1)[:, 2:-1], written),
            "Those are the losses of the likeliest tokens: take those that were written.": -(
                log_probs[:, 2:-1].amax(-1)
            ),
            f"That is a mean over tokens: {one_loss}": right.mean(-1),
            f"That is a sum over tokens: {one_loss}": right.sum(-1),
            f"That is a mean over all tokens: {one_loss}": right.mean(),
        },
    )
    match(
        token_losses(model, prompts[1:], written[1:, :3]),
        right[1:, :3],
        what="The losses of one text of three tokens, [1, 3],",
        mistakes={"The axis of the batch is lost when it has one text.": right[1, :3]},
    )
    return "Each written token, given the prompt and all that stands before it."


@exercise("utils.writing.fluency.repetition")
def check_repetition(repetition) -> str:
    """A loop, a pair far apart, no repeat, pairs turned round, and pairs that only look alike."""
    tokens = torch.tensor(
        [
            [4, 4, 4, 4, 4, 4, 4],
            [1, 2, 3, 9, 1, 2, 3],
            [1, 2, 3, 4, 5, 6, 7],
            [1, 2, 1, 3, 2, 3, 5],
            [1, 12, 5, 11, 2, 9, 4],  # "1" + "12" is "11" + "2", and the sums are alike too
        ]
    )
    single = torch.tensor([6 / 7, 3 / 7, 0, 3 / 7, 0])
    for n, right in [(1, single), (2, [5 / 6, 2 / 6, 0, 0, 0]), (3, [4 / 5, 1 / 5, 0, 0, 0])]:
        right = torch.as_tensor(right)
        n_grams = 8 - n
        rows = [[tuple(row[i : i + n]) for i in range(n_grams)] for row in tokens.tolist()]

        def kinds(of: Callable[[tuple], object], rows=rows, n_grams=n_grams) -> torch.Tensor:
            """The answer of somebody to whom n-grams of equal `of(gram)` are one."""
            return torch.tensor([1 - len({of(gram) for gram in row}) / n_grams for row in rows])

        neighbours = [
            sum(a == b for a, b in zip(row, row[1:], strict=False)) / n_grams for row in rows
        ]
        every_copy = [sum(row.count(gram) > 1 for gram in row) / n_grams for row in rows]
        of_kinds = [sum(row.count(g) > 1 for g in set(row)) / len(set(row)) for row in rows]
        pooled = [gram for row in rows for gram in row]
        so_far = [{gram for row in rows[:i] for gram in row} for i in range(len(rows))]
        carried = [
            1 - len(set(row) - seen) / n_grams for row, seen in zip(rows, so_far, strict=True)
        ]
        apart = [
            1 - len(set(cut)) / len(cut)
            for cut in (
                [tuple(row[i : i + n]) for i in range(0, n_grams, n)] for row in tokens.tolist()
            )
        ]
        match(
            repetition(tokens, n=n),
            right,
            what=f"Your tensor of shares for n = {n}",
            mistakes={
                f"That is the share of *different* {n}-grams: repetition is the rest.": 1 - right,
                "You divided by the number of tokens. A row of 7 tokens has fewer n-grams.": (
                    right * n_grams / 7
                ),
                "You divided the number of kinds by the number of tokens: a row of 7 tokens has "
                "fewer n-grams.": 1 - (1 - right) * n_grams / 7,
                "The order of the tokens is lost: (1, 2) and (2, 1) are two n-grams.": kinds(
                    lambda gram: tuple(sorted(gram))
                ),
                "The order and number of the tokens are lost: (1, 2, 1) and (2, 2, 1) are two "
                "n-grams.": kinds(frozenset),
                "The tokens were added up: (1, 4) and (2, 3) are two n-grams.": kinds(sum),
                "The tokens were joined to one word without a gap, where 1, 12 and 11, 2 look "
                "alike.": kinds(lambda gram: "".join(map(str, gram))),
                "Only the first token of each n-gram counts: compare all of them.": kinds(
                    lambda gram: gram[0]
                ),
                "That is a count: divide it by the number of n-grams.": right * n_grams,
                "The first of a kind is counted too: it had not occurred before.": torch.tensor(
                    every_copy
                ),
                "That counts repeats of the n-gram just before alone. A repeat may lie further "
                "apart.": torch.tensor(neighbours),
                "That is a share of the *kinds* of n-gram: take it of all n-grams.": torch.tensor(
                    of_kinds
                ),
                "What earlier rows hold counts as seen: begin anew with each row.": torch.tensor(
                    carried
                ),
                "That is one number for all rows together: give each row its own.": torch.tensor(
                    1 - len(set(pooled)) / len(pooled)
                ),
                "The n-grams should overlap: one starts at every token.": torch.tensor(apart),
                "You ignored `n`: those are single tokens.": single,
                "That is the mean over rows: give each row its own share.": right.mean(),
            },
        )
    match(
        repetition(tokens[1:2, :6], n=2),
        torch.tensor([0.2]),
        what="Your share of repeated 2-grams for one row of six tokens, [1],",
        mistakes={
            "The axis of the batch is lost when it has one row.": 0.2,
            "The number of tokens in a row is not always 7.": torch.tensor([1 - 4 / 6]),
        },
    )
    return "The share of n-grams that had occurred before in the same row."
