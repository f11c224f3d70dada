"""Checks of lesson 5.2, going on and stopping."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match

COMMA, STOP = 12, 2  # the numbers of `,` and `<eos>` in this lesson's model


@exercise("utils.cases.thinking.continue_share")
def check_continue_share(continue_share) -> str:
    """Two texts of three positions; `,` and `<eos>` are tokens 1 and 4, as in no model of ours."""
    draw = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, COMMA + 3, generator=draw)
    comma, stop = logits[..., 1], logits[..., 4]
    right = comma.exp() / (comma.exp() + stop.exp())
    p = logits.softmax(-1)
    match(
        continue_share(logits, 1, 4),
        right,
        what="The shares",
        mistakes={
            "That is the share of `<eos>`: which of the two goes on?": 1 - right,
            "That is the probability of `,` among all words: leave all but the two out, in the "
            "denominator too.": p[..., 1],
            "You read the tokens of this lesson's model: take the numbers that are given, `comma` "
            "and `stop`.": (logits[..., COMMA] - logits[..., STOP]).sigmoid(),
            "You took the sigmoid of each logit: it turns a *difference* of two into a share.": (
                comma.sigmoid() / (comma.sigmoid() + stop.sigmoid())
            ),
            "That is the probability of anything but `<eos>`: words that are neither of the two "
            "are in.": 1 - p[..., 4],
            "You divided log probabilities: exponentiate first.": p[..., 1].log()
            / (p[..., 1].log() + p[..., 4].log()),
            "You divided a logit by a sum of logits: these are logs of weights, so exponentiate "
            "first.": comma / (comma + stop),
            "That is the difference of the logits: turn it into a share.": comma - stop,
            "That is the odds: `,` over `<eos>`. A share has both in the denominator.": (
                comma - stop
            ).exp(),
            "That is the difference of two probabilities, not a share.": p[..., 1] - p[..., 4],
            "You took the last position alone: keep all positions.": right[:, -1],
            "You said yes or no: give the share itself, between 0 and 1.": (right > 0.5).double(),
            "That is the log of the share: exponentiate.": right.log(),
        },
    )
    for some, axes in ((logits[0], "[position, d_vocab]"), (logits[0, 0], "[d_vocab]")):
        match(
            continue_share(some, 4, 1),
            1 - right[0] if some.ndim == 2 else 1 - right[0, 0],
            what=f"The share from logits of axes {axes}, with the two tokens exchanged,",
            mistakes={},
        )
    return "Half is a model that does not know whether to go on."


@exercise("utils.cases.thinking.checked_again")
def check_checked_again(checked_again) -> str:
    """Words, so it says in words what is wrong."""
    header = ["now", "make", "15", "from", "12", "7", ":"]
    tried, said = ["12", "+", "7", "=", "19"], ["this", "works"]
    first = [*header, *tried, "(", *said, ")"]
    got = checked_again(header, tried, said=said)
    expect(
        isinstance(got, list | tuple) and all(isinstance(word, str) for word in got),
        "Return one flat list of words: `[*header, *tried, ...]` unpacks a list into another.",
    )
    got = list(got)
    expect(got[: len(header)] == header, "The text starts with the header, all of it.")
    expect(
        got != [*first, ",", "check", *tried],
        "The text ends before the bracket: the verdict is the word that comes behind the second "
        "`(`.",
    )
    expect(
        got != [*first, ",", "check", *tried, "(", *said, ")"],
        "You wrote the second verdict yourself: it is what the model shall be asked for.",
    )
    expect(got != [*first, "check", *tried, "("], "The comma before `check` is missing.")
    expect(
        got != [*first, ",", *tried, "("],
        "Without the word `check` this is a new try, and no re-check.",
    )
    expect(
        got != [*header, *tried, "(", *said, ",", "check", *tried, "("],
        "The first bracket is never closed.",
    )
    expect(
        got != [*header, *tried, *said, ",", "check", *tried, "("],
        "What is said of the try stands in brackets.",
    )
    expect(
        got != [*first, ",", "check", *header, *tried, "("],
        "The header stands once, at the start.",
    )
    expect(
        not any("," in word or " " in word for word in got if word != ","),
        "`,` and each word stand alone: one word an entry, as in the model's vocabulary.",
    )
    right = [*first, ",", "check", *tried, "("]
    at = next((i for i, (a, b) in enumerate(zip(got, right, strict=False)) if a != b), len(got))
    expect(
        got == right,
        f"Word {at} is not what the model's own re-checks have there (counted from 0). Compare "
        "with a trace printed above, word by word.",
    )
    denied = checked_again(header, tried, said=("not", "19"))
    expect(
        list(denied) == [*header, *tried, "(", "not", "19", ")", ",", "check", *tried, "("],
        "With `said=('not', '19')` the first bracket holds other words: put in it what `said` has.",
    )
    header, tried = ["make", "3", "from", "9", "6", ":"], ["9", "-", "6", "=", "3"]
    expect(
        list(checked_again(header, tried))
        == [*header, *tried, "(", "this", "works", ")", ",", "check", *tried, "("],
        "It goes wrong for another puzzle without `said`, which then stays `this works`.",
    )
    return "A success that is claimed, and a second look at it."


@exercise("utils.cases.thinking.add_at_token")
def check_add_at_token(add_at_token) -> str:
    """Four rows of five tokens; the token stands at other positions in each."""
    draw = torch.Generator().manual_seed(0)
    resid, vector = torch.randn(4, 5, 2, generator=draw), torch.tensor([1.0, -2])
    tokens = torch.tensor([[4, 7, 1, 7, 2], [7, 0, 3, 5, 6], [1, 2, 3, 4, 5], [0, 7, 2, 8, 7]])
    here = (tokens == 7)[..., None]
    got = add_at_token(resid, tokens, vector, token=7)
    anywhere = here.any(1, keepdim=True)
    first = (here & (here.int().cumsum(1) == 1)).int()
    last = here & (torch.arange(5) == 4)[:, None]
    of_row_0 = torch.tensor([0, 1, 0, 1, 0])[None, :, None]
    match(
        got,
        resid + here * vector,
        what="The new stream",
        mistakes={
            "You added the vector everywhere: only where the token that runs is the given one.": (
                resid + vector
            ),
            "You added it everywhere *but* at the token.": resid + ~here * vector,
            "You replaced the stream by the vector there: add to it.": torch.where(
                here, vector, resid
            ),
            "You took the vector away: add it.": resid - here * vector,
            "You added it one token too early: the position is that of the token itself.": resid
            + here.roll(-1, 1) * vector,
            "That is the push alone: add it to `resid`.": here * vector,
            "You added it at one token later: the position is that of the token itself.": resid
            + here.roll(1, 1) * vector,
            "You added it to the whole row if the token is anywhere in it.": resid
            + anywhere * vector,
            "You added it at the first one of each row only.": resid + first * vector,
            "You looked at the last position only: compare `tokens`, at every position, with "
            "`token`.": resid + last * vector,
            "You left the last position out: a token counts there too.": resid
            + (here & ~last) * vector,
            "You took the positions of the first row for all rows: each row has its own.": resid
            + of_row_0 * vector,
            "Nothing changed. Compare `tokens`, at every position, with `token`: it is a token's "
            "number, neither a position nor always that of `)`.": resid,
            "The rest of the stream is gone: add to `resid`, and do not multiply it by the mask.": (
                resid + vector
            )
            * here,
        },
    )
    for some, what in (
        ((slice(None), slice(1, 2)), "a single step, as with a cache,"),
        ((slice(0, 1), slice(None)), "a single row"),
    ):
        match(
            add_at_token(resid[some], tokens[some], vector, token=7),
            resid[some] + here[some] * vector,
            what=f"The stream of {what}",
            mistakes={},
        )
    return "It needs to know which tokens run now; how many went before does not matter."


@exercise("utils.cases.thinking.importance")
def check_importance(importance) -> str:
    """Six rollouts that kept the step; eight that drew it anew, two of them the same again."""
    kept = torch.tensor([1, 1, 1, 0, 1, 1], dtype=torch.bool)
    resampled = torch.tensor([1, 1, 0, 1, 0, 0, 0, 0], dtype=torch.bool)
    differs = torch.tensor([0, 1, 0, 1, 1, 1, 1, 1], dtype=torch.bool)
    k, r, d = kept.double(), resampled.double(), differs.double()
    right = k.mean() - (r * d).sum() / d.sum()
    try:
        got = importance(kept, resampled, differs)
    except Wrong as error:
        expect("Bool" not in str(error), "A mean of True and False needs `.float()` before it.")
        raise
    match(
        got,
        right,
        what="The importance",
        mistakes={
            "Rollouts that drew the same step again are in: they say what *keeping* it gives.": (
                k.mean() - r.mean()
            ),
            "You kept the rollouts that drew the same step, and left out those that differ.": (
                k.mean() - (r * (1 - d)).sum() / (1 - d).sum()
            ),
            "The sign is turned round: positive is a step that helps.": -right,
            "`differs` is True or False for each rollout, and picks those where it is True: do not "
            "turn it into numbers before you index with it.": k.mean() - r[differs.long()].mean(),
            "You divided by all rollouts, those left out among them.": k.mean()
            - (r * d).sum() / len(d),
            "That is a difference of counts: there are not as many of both.": k.sum()
            - (r * d).sum(),
            "You subtracted how *often* another step was drawn: subtract how often those rollouts "
            "solved the puzzle.": k.mean() - d.mean(),
            "That is the chance with the step kept: subtract what would be without it.": k.mean(),
            "You divided one chance by the other: take the difference.": k.mean()
            / ((r * d).sum() / d.sum()),
        },
    )
    worse = importance(~kept, resampled, differs)
    match(
        worse,
        (1 - k).mean() - (r * d).sum() / d.sum(),
        what="The importance of a step that does harm",
        mistakes={
            "That is the size of the difference: a step can do harm, so keep the sign.": (
                (1 - k).mean() - (r * d).sum() / d.sum()
            ).abs(),
            "You cut off what is below 0: a step can do harm.": torch.zeros(()),
        },
    )
    alike = torch.ones(6, dtype=torch.bool)
    match(
        importance(kept, resampled[:6], alike),
        k.mean() - r[:6].mean(),
        what="The importance where as many rollouts drew anew, and all differ,",
        mistakes={},
    )
    return "What the text says with the step, against what it would say with another."


@exercise("utils.cases.thinking.continuation_log_probs")
def check_continuation_log_probs(continuation_log_probs) -> str:
    """Three rows of five tokens over four words; the continuation is the last two tokens."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 4, generator=draw)
    tokens = torch.randint(0, 4, (3, 5), generator=draw)
    log_probs = logits.log_softmax(-1)

    def read(at: range, shift: int) -> torch.Tensor:
        return torch.stack(
            [torch.stack([log_probs[r, i - shift, tokens[r, i]] for i in at]) for r in range(3)]
        )

    right = read(range(3, 5), 1)
    raw = torch.stack([logits[r, [2, 3], tokens[r, 3:]] for r in range(3)])
    match(
        continuation_log_probs(logits, tokens, start=3),
        right.sum(1),
        what="The log probabilities",
        mistakes={
            "Each token was read from the logits at its own position. Those are about the *next* "
            "token: look one position earlier.": read(range(3, 5), 0).sum(1),
            "The sum begins one token too late: token `start` is part of the continuation.": read(
                range(4, 5), 1
            ).sum(1),
            "The sum begins one token too early: token `start - 1` is given.": read(
                range(2, 5), 1
            ).sum(1),
            "You counted the given tokens too: begin at `start`.": read(range(1, 5), 1).sum(1),
            "The sum ends one token too early: the last token counts.": right[:, :-1].sum(1),
            "The softmax ran over positions: it belongs over the words, the last axis.": (
                torch.stack(
                    [logits[:, 2:-1].log_softmax(1)[r, [0, 1], tokens[r, 3:]] for r in range(3)]
                ).sum(1)
            ),
            "The softmax ran over positions: it belongs over the words, axis -1.": torch.stack(
                [logits.log_softmax(1)[r, [2, 3], tokens[r, 3:]] for r in range(3)]
            ).sum(1),
            "That is the mean over the tokens: the log of a product is a sum.": right.mean(1),
            "You summed probabilities: take logs, since probabilities of words in a row are "
            "multiplied.": right.exp().sum(1),
            "Those are probabilities: leave the last `exp` out.": right.sum(1).exp(),
            "You summed logits: they need a `log_softmax` first.": raw.sum(1),
            "You summed over rows as well: one number for each row.": right.sum(),
            "One number for each row: sum over the continuation's tokens.": right,
            "The sign is turned round: that is a loss.": -right.sum(1),
        },
    )
    for start, rows in ((1, slice(None)), (4, slice(None)), (2, slice(1, 2))):
        match(
            continuation_log_probs(logits[rows], tokens[rows], start=start),
            read(range(start, 5), 1)[rows].sum(1),
            what=f"The log probabilities of {len(tokens[rows])} rows from `start={start}` on",
            mistakes={
                "You took the last two tokens: `start` says where the continuation begins.": (
                    right[rows].sum(1)
                )
            },
        )
    return "With all legal tries in the rows, this is the whole distribution of the next step."


@exercise("utils.cases.thinking.received_attention", course_only=True, in_double=True)
def check_received_attention(received_attention) -> str:
    """One head over seven tokens, spans of different lengths, the last with one token behind it."""
    draw = torch.Generator().manual_seed(0)
    pattern = (
        torch.randn(7, 7, generator=draw)
        .tril()
        .masked_fill(torch.ones(7, 7).triu(1).bool(), -torch.inf)
    )
    pattern = pattern.softmax(-1)
    spans = [(1, 3), (3, 6)]

    def read(name: str) -> torch.Tensor:
        found = []
        for begin, end in spans:
            later = pattern[end:, begin:end]
            found.append(
                {
                    "right": later.sum(1).mean(),
                    "mean": later.mean(),
                    "sum": later.sum(),
                    "own": pattern[begin:, begin:end].sum(1).mean(),
                    "all": pattern[:, begin:end].sum(1).mean(),
                    "turned": pattern[begin:end, end:].sum(1).mean(),
                    "given": pattern[begin:end, :begin].sum(1).mean(),
                    "over all": later.sum() / 7,
                    "late": pattern[end + 1 :, begin:end].sum(1).mean()
                    if end < 6
                    else 0 * later[0, 0],
                    "closed": pattern[end:, begin : end + 1].sum(1).mean(),
                    "last row": later[-1].sum(),
                    "most": later.sum(1).max(),
                    "first key": later[:, 0].mean(),
                    "last key": later[:, -1].mean(),
                }[name]
            )
        return torch.stack(found)

    match(
        received_attention(pattern, spans),
        read("right"),
        what="The received attention",
        mistakes={
            "That is the mean over the span's tokens: a query's attention to a span is the sum "
            "over them.": read("mean"),
            "You summed over later tokens: an early step would win by having more of them. Take "
            "the mean.": read("sum"),
            "A step's attention to itself is in: count the tokens behind it only.": read("own"),
            "All queries are in, also those that cannot see the span: count those behind it.": (
                read("all")
            ),
            "Queries and keys are exchanged: `pattern[q, k]` has the one that looks first.": read(
                "turned"
            ),
            "That is the attention a step gives to what is before it, not what it gets.": read(
                "given"
            ),
            "You divided by all tokens, not by those behind the span.": read("over all"),
            "You left the first token behind the span out: the end is already one past it.": read(
                "late"
            ),
            "The key behind the span is in: the end is one past its last token.": read("closed"),
            "You took the text's last token alone: average over all tokens behind the span.": read(
                "last row"
            ),
            "You took the one token that attends most: average over all behind the span.": read(
                "most"
            ),
            "You took the span's first token alone: sum over all its tokens.": read("first key"),
            "You took the span's last token alone: sum over all its tokens.": read("last key"),
        },
    )
    got = torch.as_tensor(received_attention(pattern, [(5, 7)]))
    expect(
        not bool(got.isnan().any()),
        "There is a nan: the last step has no later token, and the mean of none is undefined. "
        "Return 0 there.",
    )
    match(got, torch.zeros(1), what="The attention of a span with no token behind it", mistakes={})
    one = pattern[1:, 0].mean()
    match(
        received_attention(pattern, [(0, 1), (1, 3), (5, 7)]),
        torch.stack([one, read("right")[0], 0 * one]),
        what="The attention of three spans, of one token, of two, and at the end,",
        mistakes={},
    )
    return "How much the rest of the text looks back at a step."
