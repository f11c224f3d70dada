"""Checks of lesson 1.1, induction heads."""

import math

import torch

from utils.checks.engine import Wrong, exercise, expect, match


@exercise("utils.circuits.induction.repeated_tokens")
def check_repeated_tokens(repeated_tokens) -> str:
    """A small vocabulary, most of it special tokens, so that a wrong range shows."""
    sizes = {"batch": 3, "d_vocab": 60, "bos": 2, "n_special": 40}

    def seeded(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def draw(seed: int):
        return repeated_tokens(6, **sizes, generator=seeded(seed))

    tokens = draw(0)
    expect(isinstance(tokens, torch.Tensor), "Return a tensor of token ids, [batch, 1+2*seq_len].")
    shape = tuple(tokens.shape)
    expect(shape != (3, 12), "BOS is missing: put one column of `bos` in front.")
    expect(shape != (3, 7), "The second half is missing: the random tokens come twice.")
    expect(shape != (3, 14), "BOS comes once, in front, and not before each half.")
    expect(
        shape != (6, 7),
        "The halves stand below each other: repeat along the *second* axis, the positions.",
    )
    expect(shape == (3, 13), f"The shape should be (3, 13), [batch, 1+2*seq_len], and is {shape}.")
    expect(not tokens.is_floating_point(), "Token ids are whole numbers; yours are floats.")
    expect(
        bool((tokens[:, 0] == 2).all()),
        "The first column should be BOS, and is not. Which axis did you join along?",
    )
    first, second = tokens[:, 1:7], tokens[:, 7:]
    if not torch.equal(first, second):
        if torch.equal(tokens[:, 1::2], tokens[:, 2::2]):
            raise Wrong(
                "Each token is doubled in place (a a b b). Join the whole half to itself (a b a b)."
            )
        if torch.equal(first, second.flip(1)):
            raise Wrong("The second half runs backwards.")
        raise Wrong("The second half differs from the first: draw once, and use the draw twice.")
    expect(
        not (torch.equal(first[0], first[1]) and torch.equal(first[1], first[2])),
        "Every row is the same sequence: draw `batch` different ones.",
    )
    expect(
        bool((first != first[:, :1]).any()),
        "Each row repeats one single token: draw `seq_len` of them for each row.",
    )
    expect(
        torch.equal(draw(0), draw(0)),
        "The same seed gives different tokens: hand `generator=generator` to the random function.",
    )
    expect(
        not torch.equal(draw(0), draw(1)),
        "Two seeds give the same tokens: set no seed yourself, and hand `generator=generator` to "
        "the random function.",
    )
    one = seeded(0)
    twice = [repeated_tokens(6, **sizes, generator=one) for _ in range(2)]
    expect(
        not torch.equal(*twice),
        "Two draws from one generator give the same tokens: use the generator as it is, and do not "
        "start it again.",
    )
    many = torch.cat([draw(seed)[:, 1:] for seed in range(24)])
    expect(
        int(many.min()) >= 40,
        "Special tokens are among the random ones: draw from `n_special` upwards.",
    )
    expect(int(many.max()) < 60, "Some ids lie outside the vocabulary: stop before `d_vocab`.")
    expect(
        int(many.min()) == 40 and int(many.max()) == 59,
        "The random tokens use only part of the vocabulary: draw from `n_special` up to, not "
        "including, `d_vocab` (as `torch.randint(n_special, d_vocab, ...)` does).",
    )
    # Other sizes, with a batch of one.
    tokens = repeated_tokens(4, batch=1, d_vocab=9, bos=0, n_special=1, generator=seeded(0))
    shape = tuple(tokens.shape)
    expect(shape == (1, 9), f"With a batch of one the shape should be (1, 9), and is {shape}.")
    expect(
        int(tokens[0, 0]) == 0 and 1 <= int(tokens[:, 1:].min()) <= int(tokens.max()) < 9,
        "With other values of `bos`, `d_vocab` and `n_special` the ids are wrong: is a number "
        "written out that should be an argument?",
    )
    return "BOS, then the same random tokens twice."


@exercise("utils.circuits.induction.loss_by_half")
def check_loss_by_half(loss_by_half) -> str:
    """Random logits, and every loss worked out one by one."""
    random = torch.Generator().manual_seed(0)
    for batch, seq_len, d_vocab in ((2, 4, 6), (1, 3, 5)):
        n_pos = 1 + 2 * seq_len
        half = torch.randint(1, d_vocab, (batch, seq_len), generator=random)
        tokens = torch.cat([torch.zeros(batch, 1, dtype=torch.long), half, half], dim=1)
        logits = torch.randn(batch, n_pos, d_vocab, generator=random)

        def each(values, shift: int, tokens=tokens) -> torch.Tensor:
            """Minus the value of each token, `shift` positions before it, [batch, pos]."""
            chosen = [
                [-values[row, at - shift, token] for at, token in enumerate(ids) if at >= shift]
                for row, ids in enumerate(tokens.tolist())
            ]
            return torch.tensor(chosen)

        log_probs = logits - logits.exp().sum(-1, keepdim=True).log()
        right, late = each(log_probs, 1), each(log_probs, 0)

        def means(losses, start: int = seq_len + 1, *, skip: int = 0, stop: int = seq_len):
            return torch.stack([losses[:, skip:stop].mean(), losses[:, start:].mean()])

        answer = means(right)
        match(
            _two_numbers(loss_by_half(logits, tokens)),
            answer,
            what=f"The pair of losses (first half, second half) of {batch} with seq_len {seq_len}",
            mistakes={
                "Off by one: `logits[:, i]` predicts `tokens[:, i + 1]`. You scored it on the "
                "token that the model has just read.": means(late[:, 1:]),
                "Off by one: `logits[:, i]` predicts `tokens[:, i + 1]`. You scored it on the "
                "token that the model had just read.": torch.stack(
                    [late[:, 1 : seq_len + 1].mean(), late[:, seq_len + 1 :].mean()]
                ),
                "Off by one: shift before you cut. `logits[:, i]` predicts `tokens[:, i + 1]`.": (
                    torch.stack([late[:, :seq_len].mean(), late[:, seq_len:].mean()])
                ),
                "The first token of the second half is counted. Nothing announces that the repeat "
                "begins, so leave it out.": means(right, start=seq_len),
                "The first token of the second half is counted with the first half: leave it out "
                "of both.": means(right, stop=seq_len + 1),
                "The first token is left out of the first half. BOS predicts it, so it counts.": (
                    means(right, skip=1)
                ),
                "Two tokens of the second half are left out; only its first is unpredictable.": (
                    means(right, start=seq_len + 2)
                ),
                "First and second half are swapped.": answer.flip(0),
                "The sign: a loss is *minus* the log-probability.": -answer,
                "That is a sum over positions. Take the mean.": torch.stack(
                    [right[:, :seq_len].sum(1).mean(), right[:, seq_len + 1 :].sum(1).mean()]
                ),
                "That is a sum over everything. Take the mean.": torch.stack(
                    [right[:, :seq_len].sum(), right[:, seq_len + 1 :].sum()]
                ),
                "Those are bits. Use natural logarithms (nats).": answer / math.log(2),
                "That is the perplexity: its logarithm, the loss, is asked for.": answer.exp(),
                "Those are logits: turn them into log-probabilities first.": means(each(logits, 1)),
                "The softmax runs over the positions: the vocabulary is the last axis.": means(
                    each(logits[:, :-1].log_softmax(1), 1)
                ),
                "The softmax runs over all positions: the vocabulary is the last axis.": means(
                    each(logits.log_softmax(1), 1)
                ),
                "Only the first text is counted: take the mean over all rows.": means(right[:1]),
            },
        )
    return "Shifted by one, and the unannounced token left out."


def _two_numbers(got) -> torch.Tensor:
    expect(
        isinstance(got, (tuple, list, torch.Tensor)) and len(got) == 2,
        "Return two numbers: the mean loss on the first half, and on the second.",
    )
    for value in got:
        expect(
            not (isinstance(value, torch.Tensor) and value.ndim),
            "Return two *numbers*: each half still has a loss for each row or position. Take the "
            "mean over all of them.",
        )
    return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in got])


def _planted_pattern(batch: int, n_pos: int, *, seed: int) -> torch.Tensor:
    """Random attention [batch, 3, n_pos, n_pos] with nothing above the diagonal."""
    random = torch.Generator().manual_seed(seed)
    pattern = torch.rand(batch, 3, n_pos, n_pos, generator=random).tril()
    return pattern / pattern.sum(-1, keepdim=True)


def _stripe(pattern: torch.Tensor, offset: int) -> torch.Tensor:
    """Mean over one diagonal, [batch, head]; key minus query is `offset`."""
    return pattern.diagonal(offset, dim1=-2, dim2=-1).mean(-1)


@exercise("utils.circuits.induction.previous_token_scores")
def check_previous_token_scores(previous_token_scores) -> str:
    """Random attention: each diagonal has a mean of its own."""
    for batch, n_pos in ((2, 6), (1, 5)):
        pattern = _planted_pattern(batch, n_pos, seed=batch)
        right = _stripe(pattern, -1)
        largest = pattern[:, :, 1:].argmax(-1) == torch.arange(n_pos - 1)
        match(
            previous_token_scores(pattern),
            right.mean(0),
            what=f"The scores in {batch} text{'s' * (batch > 1)} of {n_pos} tokens",
            mistakes={
                "That is attention to the *same* position (offset 0): the one before is one below "
                "the diagonal.": _stripe(pattern, 0).mean(0),
                "Query and key are swapped: a pattern is [query, key], and the past lies below the "
                "diagonal.": _stripe(pattern, 1).mean(0),
                "Off by one: that is attention two positions back.": _stripe(pattern, -2).mean(0),
                "That is attention to the first position, which the second happens to follow.": (
                    pattern[:, :, 1:, 0].mean((0, 2))
                ),
                "You divided by the number of positions, but the first has no previous one.": (
                    right.mean(0) * (n_pos - 1) / n_pos
                ),
                "That is a sum along the diagonal: take the mean.": right.mean(0) * (n_pos - 1),
                "That is a sum over the batch: take the mean.": right.sum(0),
                "One score for each head *and* row: average over the batch too.": right,
                "You averaged over the heads and kept the batch: keep the heads.": right.mean(1),
                "A single number: keep the heads apart.": right.mean(),
                "Only the first text is counted: average over the batch.": right[0],
                "Only the last position is counted: average over all that have a previous one.": (
                    pattern[:, :, -1, -2].mean(0)
                ),
                "That is the largest attention on the way: take the mean.": (
                    pattern.diagonal(-1, dim1=-2, dim2=-1).amax(-1).mean(0)
                ),
                "You counted how often the previous token gets *most* attention: average the "
                "attention itself.": largest.float().mean((0, 2)),
            },
        )
    return "Mean attention one position back."


@exercise("utils.circuits.induction.induction_scores")
def check_induction_scores(induction_scores) -> str:
    """Random attention with other values on the induction stripe of each head.

    The stripe starts at two queries before the repeat. There is nothing to find there, and they
    hold the stripe's mean: right is who counts them and who does not.
    """
    random = torch.Generator().manual_seed(1)
    for batch, seq_len in ((2, 4), (1, 6)):
        n_pos = 1 + 2 * seq_len
        pattern = _planted_pattern(batch, n_pos, seed=seq_len)
        stripe = torch.rand(batch, 3, seq_len, generator=random)
        planted = stripe.mean(-1)  # [batch, head]
        stripe = torch.cat([planted[..., None].expand(-1, -1, 2), stripe], dim=-1)
        rows = torch.arange(seq_len - 1, n_pos)
        pattern[:, :, rows, rows + 1 - seq_len] = stripe
        expected, n = planted.mean(0), n_pos - seq_len + 1
        match(
            induction_scores(pattern, seq_len),
            expected,
            what=f"The scores in {batch} text{'s' * (batch > 1)} with seq_len {seq_len}",
            mistakes={
                "Off by one: offset -seq_len is the earlier copy of the *same* token. Induction "
                "looks at the token after it. Did you shift by one? The scores sit at seq_len - 1 "
                "back.": _stripe(pattern, -seq_len).mean(0),
                "Off by one: that is the token *before* the earlier copy.": (
                    _stripe(pattern, -seq_len - 1).mean(0)
                ),
                "Off by one in the other direction: two tokens after the earlier copy.": (
                    _stripe(pattern, 2 - seq_len).mean(0)
                ),
                "Query and key are swapped: the past lies *below* the diagonal, at a negative "
                "offset.": _stripe(pattern, seq_len - 1).mean(0),
                "You averaged over all queries, but only those from the repeat on can do "
                "induction.": expected * n / n_pos,
                "You averaged over all queries; only those in the repeat can do induction.": (
                    expected * seq_len / n_pos
                ),
                "That is a sum along the stripe: take the mean.": expected * n,
                "That is a sum over the repeat: take the mean.": expected * seq_len,
                "One score for each head *and* row: average over the batch too.": planted,
                "You averaged over the heads and kept the batch: keep the heads.": planted.mean(1),
                "Only the first text is counted: average over the batch.": planted[0],
                "Only the last query is counted: average over the stripe.": (
                    stripe[..., -1].mean(0)
                ),
                "That is the largest attention on the stripe: take the mean.": (
                    stripe.amax(-1).mean(0)
                ),
                "The last query is left out: it too can look at what came next last time.": (
                    stripe[..., :-1].mean((0, 2))
                ),
                "The last query is left out of the repeat: it counts as well.": (
                    stripe[..., 2:-1].mean((0, 2))
                ),
            },
        )
    return "Mean attention to what came next last time."


@exercise("utils.heads.mean_ablate")
def check_mean_ablate(mean_ablate) -> str:
    """Random head outputs with all four axes of different size."""
    random = torch.Generator().manual_seed(0)
    for batch, heads in ((2, [1, 3]), (2, [3, 0]), (1, [2])):
        z = torch.randn(batch, 5, 4, 3, generator=random)
        others = [head for head in range(4) if head not in heads]

        def put(values, where=(slice(None), slice(None), heads), z=z):
            out = z.clone()
            out[where] = values
            return out

        chosen = z[:, :, heads]
        means = chosen.mean((0, 1), keepdim=True)
        match(
            mean_ablate(z, list(heads)),
            put(means),
            what=f"The activation of {batch} text{'s' * (batch > 1)} with heads {heads} ablated",
            mistakes={
                "Nothing has changed: assign the mean, and return the copy.": z,
                "That is zero ablation: put each head's *mean* there.": put(0.0),
                "Those are positions, not heads: the heads are the third axis of [batch, pos, "
                "head, d_head].": put(z[:, heads].mean((0, 1), keepdim=True), (slice(None), heads)),
                "Those are positions, not heads: the heads are the third axis.": put(
                    0.0, (slice(None), heads)
                ),
                "BOS is left out of your mean. Here it counts: average over all positions.": put(
                    z[:, 1:, heads].mean((0, 1), keepdim=True)
                ),
                "Only the first head is ablated.": put(
                    means[:, :, :1], (slice(None), slice(None), heads[:1])
                ),
                "Only the last head is ablated: did the next one start from `z` again?": put(
                    means[:, :, -1:], (slice(None), slice(None), heads[-1:])
                ),
                "Every head is ablated: leave those that are not in `heads` alone.": z.mean(
                    (0, 1), keepdim=True
                ).expand_as(z),
                "It is turned round: the heads that are *not* in `heads` are ablated.": put(
                    z[:, :, others].mean((0, 1), keepdim=True), (slice(None), slice(None), others)
                ),
                "The means went to other heads than they come from: `heads` need not be in "
                "order.": put(means.flip(2)),
                "You averaged over the batch only, so each position keeps its own mean. Average "
                "over batch *and* positions.": put(chosen.mean(0, keepdim=True)),
                "You averaged over positions only, so each text keeps its own mean. Average over "
                "batch *and* positions.": put(chosen.mean(1, keepdim=True)),
                "You averaged over d_head as well: the mean is a vector, not one number.": put(
                    chosen.mean((0, 1, 3), keepdim=True)
                ),
                "The ablated heads share one mean: each has its own.": put(
                    chosen.mean((0, 1, 2), keepdim=True)
                ),
                "You averaged over *all* heads: each ablated head takes its own mean.": put(
                    z.mean((0, 1, 2), keepdim=True)
                ),
                "That is a sum over batch and positions: take the mean.": put(
                    chosen.sum((0, 1), keepdim=True)
                ),
                "The mean is taken off. It should stand in the head's place.": put(chosen - means),
                "The mean is added. It should stand in the head's place.": put(chosen + means),
            },
        )
    return "Their mean in place of the chosen heads, and nothing else touched."


@exercise("utils.circuits.composition.copying_score")
def check_copying_score(copying_score) -> str:
    """Random factors; the answer is counted entry by entry."""
    random = torch.Generator().manual_seed(3)
    for n, d_model, d_head in ((7, 5, 3), (4, 6, 2)):
        sizes = (n, d_model), (d_model, d_head), (d_head, d_model), (d_model, n)
        W_E, W_V, W_O, W_U = (torch.randn(*size, generator=random) for size in sizes)
        scores = W_E @ W_V @ W_O @ W_U

        def shares(matrix: torch.Tensor, *, others: int = n - 1, own: int = 0, n=n):
            return torch.tensor(
                [
                    (sum(bool(matrix[i, j] < matrix[i, i]) for j in range(n)) + own) / others
                    for i in range(n)
                ]
            )

        each = shares(scores)
        match(
            copying_score(W_E, W_V, W_O, W_U),
            each.mean(),
            what=f"The score of {n} tokens",
            mistakes={
                "Rows and columns are swapped: a row is an *attended* token, and you compare along "
                "it, over the tokens that it could raise.": shares(scores.T).mean(),
                "The head is missing from your product: W_E @ W_V @ W_O @ W_U.": (
                    shares(W_E @ W_U).mean()
                ),
                "You counted the token as beating itself.": shares(scores, own=1).mean(),
                "You counted the token as beating itself, and divided by all tokens.": (
                    shares(scores, others=n, own=1).mean()
                ),
                "You divided by the number of tokens; a token has one *other* fewer.": (
                    shares(scores, others=n).mean()
                ),
                "That is a number of tokens, not a share of the others.": each.mean() * (n - 1),
                "That is a sum over tokens: take the mean.": each.sum(),
                "One share for each token: average them.": each,
                "That is the share of tokens that come first. Count how many others each one "
                "beats.": (each == 1).float().mean(),
                "The sign is lost: a head may also *lower* a token's logit.": (
                    shares(scores.abs()).mean()
                ),
                "That is the share of others that beat the token; turn it round.": 1 - each.mean(),
                "That is the mean of the diagonal: a logit says little until it is compared with "
                "the others in its row.": scores.diagonal().mean(),
                "You compared each token's own logit with those of all rows: compare within its "
                "row.": _beaten_anywhere(scores),
            },
        )
    return "0.5 is chance, 1.0 is a perfect copier."


def _beaten_anywhere(scores: torch.Tensor) -> torch.Tensor:
    n = len(scores)
    off = scores[~torch.eye(n, dtype=torch.bool)]
    return (off < scores.diagonal()[:, None]).double().mean()


@exercise("utils.circuits.composition.k_composition")
def check_k_composition(k_composition) -> str:
    """Random matrices, one pair and then stacks of earlier heads."""
    random = torch.Generator().manual_seed(0)
    stack = torch.randn(3, 4, 4, generator=random)
    W_QK = torch.randn(4, 4, generator=random)

    def frobenius(matrix: torch.Tensor) -> torch.Tensor:
        return matrix.pow(2).sum((-2, -1)).sqrt()

    def score(product: torch.Tensor, W_OV: torch.Tensor) -> torch.Tensor:
        return frobenius(product) / (frobenius(W_OV) * frobenius(W_QK))

    def mistakes(W_OV: torch.Tensor) -> dict[str, torch.Tensor]:
        right = W_QK @ W_OV.mT
        spectral, nuclear = (
            torch.linalg.matrix_norm(right, order)
            / (torch.linalg.matrix_norm(W_OV, order) * torch.linalg.matrix_norm(W_QK, order))
            for order in (2, "nuc")
        )
        return {
            "W_OV is not transposed. Keys are on the right of W_QK, so what the earlier head wrote "
            "comes in as W_OV.T.": score(W_QK @ W_OV, W_OV),
            "That is Q-composition: the earlier head feeds the *query* side, on the left.": score(
                W_OV @ W_QK, W_OV
            ),
            "That is the query side. For keys the product is W_QK @ W_OV.T.": score(
                W_OV.mT @ W_QK, W_OV
            ),
            "The product is taken entry by entry: `@` multiplies matrices, `*` does not.": score(
                W_QK * W_OV.mT, W_OV
            ),
            "The norms of the two matrices are missing below the line, so a head scores high just "
            "for being large.": frobenius(right),
            "The norms are squared: take the root.": score(right, W_OV) ** 2,
            "Only one of the two norms is below the line.": frobenius(right) / frobenius(W_OV),
            "Only one of the two norms stands below the line.": frobenius(right) / frobenius(W_QK),
            "Below the line stands the sum of the two norms: multiply them.": frobenius(right)
            / (frobenius(W_OV) + frobenius(W_QK)),
            "That is the largest singular value. The Frobenius norm is the root of the sum of "
            "squares.": spectral,
            "That is the sum of the singular values. The Frobenius norm is the root of the sum of "
            "squares.": nuclear,
        }

    single = k_composition(stack[0], W_QK)
    right = score(W_QK @ stack[0].T, stack[0])
    match(single, right, what="The score of one head", mistakes=mistakes(stack[0]))
    stacked = score(W_QK @ stack.mT, stack)
    total = stack.pow(2).sum().sqrt()
    product = W_QK @ stack.mT
    match(
        k_composition(stack, W_QK),
        stacked,
        what="The scores of a stack of heads, [head],",
        mistakes={
            **mistakes(stack),
            "For a stack of heads you take one norm over everything: take each over the last two "
            "axes.": product.pow(2).sum().sqrt() / (total * frobenius(W_QK)),
            "For a stack of heads the norm of W_OV runs over all of them: take it over the last "
            "two axes.": frobenius(product) / (total * frobenius(W_QK)),
            "One score for a whole stack of heads: keep them apart.": stacked.mean(),
            "Only the first head of the stack is scored.": stacked[0],
        },
    )
    match(
        k_composition(stack[:1], W_QK),
        stacked[:1],
        what="The scores of a stack of one head, [1],",
        mistakes={"A stack of one head keeps its axis.": stacked[0]},
    )
    return "How much of what the earlier head writes the later head's keys can read."
