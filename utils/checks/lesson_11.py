"""Checks of lesson 1.1, induction heads."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


@exercise("utils.circuits.induction.repeated_tokens")
def check_repeated_tokens(repeated_tokens) -> str:
    """A small vocabulary, most of it special tokens, so that a wrong range shows."""
    sizes = {"batch": 3, "d_vocab": 60, "bos": 2, "n_special": 40}

    def draw(seed: int):
        generator = torch.Generator().manual_seed(seed)
        return repeated_tokens(6, **sizes, generator=generator)

    tokens = draw(0)
    expect(isinstance(tokens, torch.Tensor), "Return a tensor of token ids, [batch, 1+2*seq_len].")
    shape = tuple(tokens.shape)
    expect(shape != (3, 12), "BOS is missing: put one column of `bos` in front.")
    expect(shape != (3, 7), "The second half is missing: the random tokens come twice.")
    expect(shape != (3, 14), "BOS comes once, in front, and not before each half.")
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
    many = torch.cat([draw(seed)[:, 1:] for seed in range(8)])
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
    expect(
        torch.equal(draw(0), draw(0)),
        "The same seed gives different tokens: hand `generator=generator` to the random function.",
    )
    return "BOS, then the same random tokens twice."


@exercise("utils.circuits.induction.loss_by_half")
def check_loss_by_half(loss_by_half) -> str:
    """Random logits, and every loss worked out one by one."""
    seq_len, d_vocab = 4, 6
    random = torch.Generator().manual_seed(0)
    half = torch.randint(1, d_vocab, (2, seq_len), generator=random)
    tokens = torch.cat([torch.zeros(2, 1, dtype=torch.long), half, half], dim=1)
    logits = torch.randn(2, 1 + 2 * seq_len, d_vocab, generator=random)

    def loss(row: int, at: int, target: int) -> float:
        row_logits = logits[row, at].tolist()
        normaliser = torch.tensor(row_logits).exp().sum().log().item()
        return normaliser - row_logits[int(tokens[row, target])]

    n_pos = tokens.shape[1]
    right = torch.tensor([[loss(row, at, at + 1) for at in range(n_pos - 1)] for row in range(2)])
    late = torch.tensor([[loss(row, at, at) for at in range(n_pos)] for row in range(2)])

    def means(losses: torch.Tensor, start: int = seq_len + 1) -> torch.Tensor:
        return torch.stack([losses[:, :seq_len].mean(), losses[:, start:].mean()])

    got = loss_by_half(logits.clone(), tokens.clone())
    expect(
        isinstance(got, (tuple, list, torch.Tensor)) and len(got) == 2,
        "Return two numbers: the mean loss on the first half, and on the second.",
    )
    answer = means(right)
    match(
        torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in got]),
        answer,
        what="The pair of losses (first half, second half)",
        mistakes={
            "Off by one: `logits[:, i]` predicts `tokens[:, i + 1]`. You scored it on the token "
            "that the model has just read.": means(late[:, 1:]),
            "Off by one: `logits[:, i]` predicts `tokens[:, i + 1]`. You scored it on the token "
            "that the model had just read.": torch.stack(
                [late[:, 1 : seq_len + 1].mean(), late[:, seq_len + 1 :].mean()]
            ),
            "Off by one: shift before you cut. `logits[:, i]` predicts `tokens[:, i + 1]`.": (
                torch.stack([late[:, :seq_len].mean(), late[:, seq_len:].mean()])
            ),
            "The first token of the second half is counted. Nothing announces that the repeat "
            "begins, so leave it out.": means(right, start=seq_len),
            "Two tokens of the second half are left out; only its first is unpredictable.": means(
                right, start=seq_len + 2
            ),
            "First and second half are swapped.": answer.flip(0),
            "The sign: a loss is *minus* the log-probability.": -answer,
            "That is a sum over positions. Take the mean.": torch.stack(
                [right[:, :seq_len].sum(1).mean(), right[:, seq_len + 1 :].sum(1).mean()]
            ),
            "Those are bits. Use natural logarithms (nats).": answer / torch.log(torch.tensor(2.0)),
        },
    )
    return "Shifted by one, and the unannounced token left out."


def _planted_pattern(n_pos: int, *, seed: int) -> torch.Tensor:
    """Random attention [2, 3, n_pos, n_pos] with nothing above the diagonal."""
    random = torch.Generator().manual_seed(seed)
    pattern = torch.rand(2, 3, n_pos, n_pos, generator=random).tril()
    return pattern / pattern.sum(-1, keepdim=True)


def _stripe(pattern: torch.Tensor, offset: int) -> torch.Tensor:
    """Mean over one diagonal, [batch, head]; key minus query is `offset`."""
    return pattern.diagonal(offset, dim1=-2, dim2=-1).mean(-1)


@exercise("utils.circuits.induction.previous_token_scores")
def check_previous_token_scores(previous_token_scores) -> str:
    """Random attention: each diagonal has a mean of its own."""
    n_pos = 6
    pattern = _planted_pattern(n_pos, seed=0)
    right = _stripe(pattern, -1)
    match(
        previous_token_scores(pattern.clone()),
        right.mean(0),
        what="The scores",
        mistakes={
            "That is attention to the *same* position (offset 0): the one before is one below the "
            "diagonal.": _stripe(pattern, 0).mean(0),
            "Query and key are swapped: a pattern is [query, key], and the past lies below the "
            "diagonal.": _stripe(pattern, 1).mean(0),
            "Off by one: that is attention two positions back.": _stripe(pattern, -2).mean(0),
            "You divided by the number of positions, but the first has no previous one.": (
                right.mean(0) * (n_pos - 1) / n_pos
            ),
            "That is a sum along the diagonal: take the mean.": right.mean(0) * (n_pos - 1),
            "One score for each head *and* row: average over the batch too.": right,
            "You averaged over the heads and kept the batch: keep the heads.": right.mean(1),
            "A single number: keep the heads apart.": right.mean(),
        },
    )
    return "Mean attention one position back."


@exercise("utils.circuits.induction.induction_scores")
def check_induction_scores(induction_scores) -> str:
    """Random attention with a constant planted on the induction stripe of each head."""
    seq_len = 4
    n_pos = 1 + 2 * seq_len
    pattern = _planted_pattern(n_pos, seed=1)
    planted = torch.tensor([[0.9, 0.2, 0.55], [0.7, 0.3, 0.35]])
    rows = torch.arange(seq_len - 1, n_pos)
    pattern[:, :, rows, rows + 1 - seq_len] = planted[..., None]
    expected = planted.mean(0)
    match(
        induction_scores(pattern.clone(), seq_len),
        expected,
        what="The scores",
        mistakes={
            "Off by one: offset -seq_len is the earlier copy of the *same* token. Induction looks "
            "at the token after it. Did you shift by one? The scores sit at seq_len - 1 back.": (
                _stripe(pattern, -seq_len).mean(0)
            ),
            "Off by one: that is the token *before* the earlier copy.": (
                _stripe(pattern, -seq_len - 1).mean(0)
            ),
            "Off by one in the other direction: two tokens after the earlier copy.": (
                _stripe(pattern, 2 - seq_len).mean(0)
            ),
            "Query and key are swapped: the past lies *below* the diagonal, at a negative "
            "offset.": _stripe(pattern, seq_len - 1).mean(0),
            "You averaged over all queries, but only those from the repeat on can do induction.": (
                expected * (n_pos - seq_len + 1) / n_pos
            ),
            "You averaged over all queries; only those in the repeat can do induction.": (
                expected * seq_len / n_pos
            ),
            "That is a sum along the stripe: take the mean.": expected * (n_pos - seq_len + 1),
            "One score for each head *and* row: average over the batch too.": planted,
            "You averaged over the heads and kept the batch: keep the heads.": planted.mean(1),
        },
    )
    return "Mean attention to what came next last time."


@exercise("utils.heads.mean_ablate")
def check_mean_ablate(mean_ablate) -> str:
    """Random head outputs with all four axes of different size."""
    random = torch.Generator().manual_seed(0)
    z, heads = torch.randn(2, 5, 4, 3, generator=random), [1, 3]
    kept = z.clone()

    def put(values, where=(slice(None), slice(None), heads)):
        out = kept.clone()
        out[where] = values
        return out

    chosen = kept[:, :, heads]
    right = put(chosen.mean((0, 1), keepdim=True))
    got = mean_ablate(z, heads)
    match(
        got,
        right,
        what="The ablated activation",
        mistakes={
            "Nothing has changed: assign the mean, and return the copy.": kept,
            "That is zero ablation: put each head's *mean* there.": put(0.0),
            "Those are positions, not heads: the heads are the third axis of [batch, pos, head, "
            "d_head].": put(kept[:, heads].mean((0, 1), keepdim=True), (slice(None), heads)),
            "Those are positions, not heads: the heads are the third axis.": put(
                0.0, (slice(None), heads)
            ),
            "BOS is left out of your mean. Here it counts: average over all positions.": put(
                kept[:, 1:, heads].mean((0, 1), keepdim=True)
            ),
            "Only the first head is ablated.": put(
                kept[:, :, 1:2].mean((0, 1), keepdim=True), (slice(None), slice(None), [1])
            ),
            "Every head is ablated: leave those that are not in `heads` alone.": kept.mean(
                (0, 1), keepdim=True
            ).expand_as(kept),
            "You averaged over the batch only, so each position keeps its own mean. Average over "
            "batch *and* positions.": put(chosen.mean(0, keepdim=True)),
            "You averaged over positions only, so each text keeps its own mean. Average over batch "
            "*and* positions.": put(chosen.mean(1, keepdim=True)),
            "You averaged over d_head as well: the mean is a vector, not one number.": put(
                chosen.mean((0, 1, 3), keepdim=True)
            ),
            "The ablated heads share one mean: each has its own.": put(
                chosen.mean((0, 1, 2), keepdim=True)
            ),
            "You averaged over *all* heads: each ablated head takes its own mean.": put(
                kept.mean((0, 1, 2), keepdim=True)
            ),
        },
    )
    expect(
        torch.equal(z, kept),
        "Right values, but `z` itself was changed. Work on `z.clone()`: the caller may hold `z` in "
        "a cache.",
    )
    return "Their mean in place of the chosen heads, and nothing else touched."


@exercise("utils.circuits.induction.copying_score")
def check_copying_score(copying_score) -> str:
    """Random factors; the answer is counted entry by entry."""
    n, d_model, d_head = 7, 5, 3
    random = torch.Generator().manual_seed(3)
    W_E, W_U = [torch.randn(*size, generator=random) for size in ((n, d_model), (d_model, n))]
    W_V, W_O = [torch.randn(*s, generator=random) for s in ((d_model, d_head), (d_head, d_model))]
    scores = W_E @ W_V @ W_O @ W_U

    def rank(matrix: torch.Tensor, others: int = n - 1, count_self: int = 0) -> torch.Tensor:
        beaten = [
            sum(bool(matrix[i, j] < matrix[i, i]) for j in range(n)) + count_self for i in range(n)
        ]
        return torch.tensor(beaten, dtype=torch.float64).mean() / others

    top = (scores.argmax(-1) == torch.arange(n)).double().mean()
    match(
        copying_score(W_E, W_V, W_O, W_U),
        rank(scores),
        what="The score",
        mistakes={
            "Rows and columns are swapped: a row is an *attended* token, and you compare along "
            "it, over the tokens that it could raise.": rank(scores.T),
            "The head is missing from your product: W_E @ W_V @ W_O @ W_U.": rank(W_E @ W_U),
            "You counted the token as beating itself.": rank(scores, count_self=1),
            "You counted the token as beating itself, and divided by all tokens.": rank(
                scores, others=n, count_self=1
            ),
            "You divided by the number of tokens; a token has one *other* fewer.": rank(
                scores, others=n
            ),
            "That is the share of tokens that come first. Count how many others each one "
            "beats.": top,
            "That is the share of others that beat the token; turn it round.": 1 - rank(scores),
            "That is the mean of the diagonal: a logit says little until it is compared with the "
            "others in its row.": scores.diagonal().mean(),
        },
    )
    return "0.5 is chance, 1.0 is a perfect copier."


@exercise("utils.circuits.induction.k_composition")
def check_k_composition(k_composition) -> str:
    """Random matrices, one pair and then a stack of earlier heads."""
    random = torch.Generator().manual_seed(0)
    stack = torch.randn(3, 4, 4, generator=random)
    W_QK = torch.randn(4, 4, generator=random)

    def frobenius(matrix: torch.Tensor) -> torch.Tensor:
        return matrix.pow(2).sum((-2, -1)).sqrt()

    def score(product: torch.Tensor, W_OV: torch.Tensor) -> torch.Tensor:
        return frobenius(product) / (frobenius(W_OV) * frobenius(W_QK))

    def mistakes(W_OV: torch.Tensor) -> dict[str, torch.Tensor]:
        right = W_QK @ W_OV.mT
        spectral = torch.linalg.matrix_norm(right, 2) / (
            torch.linalg.matrix_norm(W_OV, 2) * torch.linalg.matrix_norm(W_QK, 2)
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
            "The norms of the two matrices are missing below the line, so a head scores high just "
            "for being large.": frobenius(right),
            "The norms are squared: take the root.": score(right, W_OV) ** 2,
            "Only one of the two norms is below the line.": frobenius(right) / frobenius(W_OV),
            "Only one of the two norms stands below the line.": frobenius(right) / frobenius(W_QK),
            "That is the largest singular value. The Frobenius norm is the root of the sum of "
            "squares.": spectral,
        }

    single = k_composition(stack[0].clone(), W_QK.clone())
    right = score(W_QK @ stack[0].T, stack[0])
    match(single, right, what="The score of one head", mistakes=mistakes(stack[0]))
    stacked = score(W_QK @ stack.mT, stack)
    total = stack.pow(2).sum().sqrt()
    product = W_QK @ stack.mT
    match(
        k_composition(stack.clone(), W_QK.clone()),
        stacked,
        what="The scores of a stack of heads, [head],",
        mistakes={
            **mistakes(stack),
            "For a stack of heads you take one norm over everything: take each over the last two "
            "axes.": product.pow(2).sum().sqrt() / (total * frobenius(W_QK)),
            "For a stack of heads the norm of W_OV runs over all of them: take it over the last "
            "two axes.": frobenius(product) / (total * frobenius(W_QK)),
        },
    )
    return "How much of what the earlier head writes the later head's keys can read."
