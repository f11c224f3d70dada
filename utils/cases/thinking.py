"""When a small reasoning model goes on and when it stops, and which of its steps matter.

At `)` a verdict is complete. `,` after it goes on, to a new try or to `check`; `<eos>` stops.
Steps are the tries of a trace, each with its verdict. Source of counterfactual importance by
resampling: Thought Anchors (Bogdan et al., 2025, arXiv 2506.19143).
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from data.countdown import task as countdown
from data.countdown.task import NO, YES, Puzzle, each_in_words, ids, in_words
from utils.cases.verification import Brackets, brackets, chosen_rows, same_texts
from utils.generation import bare_model
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    guarded,
    index_of,
)
from utils.steering import hook_name

COMMA, STOP, CLOSE, CHECK = ids([",", "<eos>", ")", "check"])
FAILURE, SUCCESS, RECHECK = range(3)  # what stands before a `)`


# ---- Where a model goes on or stops -------------------------------------------------------------


def _other_token(value: int, given: Mapping) -> str | None:
    return "is `comma` too: these are two tokens" if value == given["comma"] else None


@guarded(comma=index_of("logits", -1), stop=(index_of("logits", -1), _other_token))
def continue_share(
    logits: Float[Tensor, "*position d_vocab"], comma: int, stop: int
) -> Float[Tensor, "*position"]:
    """The probability of `,` over that of `,` and `<eos>` together.

    Args:
        logits: for any axes in front.
        comma: the number of the token `,`; stop: that of `<eos>`.
    """
    return (logits[..., comma] - logits[..., stop]).sigmoid()


class Endings(NamedTuple):
    """Verdicts that are complete: a text for each, up to its `)` and with a `,` after that.

    Attributes:
        tokens: with BOS, padded on the right, [position, pos].
        pos: where the `)` stands, [position].
        kind: FAILURE, SUCCESS (the first one of its text), or RECHECK, [position].
        puzzle: the number of the puzzle, [position].
    """

    tokens: Int[Tensor, "position pos"]
    pos: Int[Tensor, " position"]
    kind: Int[Tensor, " position"]
    puzzle: Int[Tensor, " position"]

    def of(
        self, activation: Shaped[Tensor, "position pos ..."], *, back: int = 0
    ) -> Shaped[Tensor, "position ..."]:
        """What an activation is at each `)`, or `back` tokens before it (-1: at the `,`).

        Raises:
            ValueError: it is not of these texts, or there is no such token.
        """
        same_texts(self.tokens, activation)
        if back < -1 or back > int(self.pos.min()):
            raise ValueError(f"Not every text has a token at `back={back}` from its `)`.")
        return activation[torch.arange(len(self.pos), device=activation.device), self.pos - back]

    def where(self, chosen: Bool[Tensor, " position"] | Int[Tensor, " some"]) -> "Endings":
        """These positions alone.

        Raises:
            ValueError: none is chosen, or there is no such position.
        """
        chosen = chosen_rows(chosen, len(self.pos))
        tokens, *rest = (each[chosen.to(each.device)] for each in self)
        return Endings(tokens[:, : int(rest[0].max()) + 2], *rest)

    @guarded(batch_size=count())
    def parts(self, *, batch_size: int = 64) -> list["Endings"]:
        """These positions from the shortest text to the longest, some at a time: little padding."""
        parts = self.pos.argsort(stable=True).split(batch_size)
        return [self.where(part) for part in parts]

    def in_order(self, found: Sequence[Tensor], *, dim: int = 0) -> Tensor:
        """What was found part by part, in the order of these positions.

        Raises:
            ValueError: it is not of as many positions.
        """
        order, together = self.pos.argsort(stable=True).cpu(), torch.cat(list(found), dim)
        if together.shape[dim] != len(order):
            raise ValueError(f"Found of {together.shape[dim]} positions: give {len(order)}.")
        return together.index_select(dim, order.argsort())


@guarded(written=(as_long_as("puzzles"), each_in_words))
def endings(model, puzzles: Sequence[Puzzle], written: Sequence[Sequence[str]]) -> Endings:
    """Every complete verdict in what a model wrote, up to the first `)` after a re-check.

    Raises:
        ValueError: there is none.
    """
    rows, found = [], []
    for i, (puzzle, words) in enumerate(zip(puzzles, written, strict=True)):
        words, begin, accepted = list(words), 0, False
        while "(" in words[begin:] and ")" in words[words.index("(", begin) :]:
            bracket = words.index("(", begin)
            close = words.index(")", bracket)
            verdict, again = words[bracket + 1], words[begin] == "check"
            if verdict not in YES + NO or (accepted and not again):
                break
            kind = FAILURE if verdict in NO else RECHECK if again else SUCCESS
            accepted = accepted or kind == SUCCESS
            text = ["<bos>", *puzzle.header, *words[: close + 1]]
            rows.append(torch.tensor(ids([*text, ","])))
            found.append((len(text) - 1, kind, i))
            begin = close + 2
            if kind == RECHECK or words[close + 1 : close + 2] != [","]:
                break
    if not found:
        raise ValueError("No text has a verdict in brackets: let the model write more tokens.")
    device = model.cfg.device
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    return Endings(tokens, *torch.tensor(found, device=device).T)


class GoingOn(NamedTuple):
    """What a model does at a `)`, and after it if it goes on.

    Attributes:
        share: `continue_share` at the `)`.
        comma: the probability of `,` among all words there.
        check: the probability of `check` after the `,`.
    """

    share: Float[Tensor, " position"]
    comma: Float[Tensor, " position"]
    check: Float[Tensor, " position"]


@guarded(model=evaluating)
@torch.no_grad()
def going_on(model, positions: Endings) -> GoingOn:
    """Read from the model's probabilities, not sampled."""
    found = []
    for part in positions.parts():
        logits = model(part.tokens)
        here, behind = (part.of(logits, back=back).float().cpu() for back in (0, -1))
        comma, check = here.softmax(-1)[:, COMMA], behind.softmax(-1)[:, CHECK]
        found.append((continue_share(here, COMMA, STOP), comma, check))
    return GoingOn(*map(positions.in_order, zip(*found, strict=True)))


@guarded(header=(in_words, filled), tried=(in_words, filled), said=(in_words, filled))
def checked_again(
    header: Sequence[str], tried: Sequence[str], *, said: Sequence[str] = ("this", "works")
) -> list[str]:
    """The words of header, try, what is said of it in brackets, and the re-check up to its `(`.

    Args:
        header: words such as `make 15 from 12 7 4 :`.
        tried: words such as `12 + 7 = 19 - 4 = 15`.
        said: the words between the first brackets.
    """
    return [*header, *tried, "(", *said, ")", ",", "check", *tried, "("]


@guarded(puzzles=filled)
def claims_checked(
    puzzles: Sequence[Puzzle], *, generator: random.Random | None = None
) -> dict[tuple[str, str], list[list[str]]]:
    """Texts up to the bracket of a second look, one of each kind for each puzzle.

    A try hits or misses, it was called a success (`this works`) or a failure (`not 23`), and the
    word `check` stands before the second look or not. And two controls: nothing in brackets before
    `check`; and a miss that is checked where the claim was about a hit.

    Args:
        generator: of the tries; without one they are the same in each call.

    Returns:
        ("hit" or "miss", how it was asked) -> the texts, in words.
    """
    generator, found = generator or random.Random(0), {}
    for each in puzzles:
        by_result = countdown.tries(each.numbers)
        miss = generator.choice([value for value in by_result if value != each.target])
        hit, miss = (generator.choice(by_result[value]).words for value in (each.target, miss))
        for name, tried in (("hit", hit), ("miss", miss)):
            for called, said in (("this works", ("this", "works")), ("not N", ("not", tried[-1]))):
                text = checked_again(each.header, tried, said=said)
                without = [word for word in text if word != "check"]
                found.setdefault((name, f"said {called}; check"), []).append(text)
                found.setdefault((name, f"said {called}; no check"), []).append(without)
            bare = [*each.header, "check", *tried, "("]
            found.setdefault((name, "said nothing; check"), []).append(bare)
        text = checked_again(each.header, hit)
        text = [*text[: text.index("check") + 1], *miss, "("]
        found.setdefault(("miss", "said this works of a hit; check"), []).append(text)
    return found


# ---- What a second look hangs on ----------------------------------------------------------------


class Looks(NamedTuple):
    """Solved texts in which the model looked once more at its success.

    Attributes:
        first: the brackets behind the hit, one in each text.
        second: those of the second look.
        check: where the word `check` stands in each text, [text].
        misses: the brackets of the failures before, of any number in a text.
    """

    first: Brackets
    second: Brackets
    check: Int[Tensor, " text"]
    misses: Brackets


@guarded(written=(as_long_as("puzzles"), each_in_words))
def second_looks(model, puzzles: Sequence[Puzzle], written: Sequence[Sequence[str]]) -> Looks:
    """The texts in which a hit was accepted and the same try was checked, up to that bracket.

    Raises:
        ValueError: there is none, or no failure stands in any of them.
    """
    kept, texts = [], []
    for puzzle, words in zip(puzzles, written, strict=True):
        judged, words = countdown.read(puzzle, words), list(words)
        if countdown.solved(judged) and judged[-1].again and judged[-1].hit:
            kept.append(puzzle)
            texts.append(words[: len(words) - words[::-1].index("(")])
    if not texts:
        raise ValueError("No text has a second look at a success: give more texts.")
    found = brackets(model, kept, texts)
    check = (found.tokens == CHECK).int().argmax(1)
    again = found.pos > check[found.text]
    first, second, misses = (
        found.where(each) for each in (found.hit & ~again, found.hit & again, ~found.hit & ~again)
    )
    return Looks(first, second, check, misses)


@contextmanager
def cut_attention(
    model, text: Int[Tensor, " edge"], query: Int[Tensor, " edge"], key: Int[Tensor, " edge"]
) -> Iterator[None]:
    """Within it, no head of any layer attends from `query` to `key`: attention knockout.

    The scores are minus infinity there before the softmax, so that the attention goes to the other
    keys. All else stays.

    Args:
        text, query, key: of each edge: which text of the batch it is in, the position that would
            attend, and the position that it would attend to.

    Source: Geva et al., 2023 (arXiv 2304.14767).
    """

    def forbid(scores, hook):
        scores = scores.clone()
        scores[text, :, query, key] = -torch.inf
        return scores

    names = [f"blocks.{layer}.attn.hook_attn_scores" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, forbid) for name in names]):
        yield


# ---- Steering at one kind of token --------------------------------------------------------------


@contextmanager
def steer_at(
    model, vector: Float[Tensor, "*row d_model"], *, layer: int, token: int
) -> Iterator[None]:
    """Within it, `vector` is added wherever the model reads `token`, also in what it writes itself.

    While a model writes with its key-value cache, only the newest token runs. So what is compared
    with `token` are the tokens that run now, which the model's input says at each run. On leaving,
    also by an error, its hooks go away.

    Args:
        vector: added to the residual stream before block `layer`; at n_layers, after the last.
            [d_model], or [batch, 1, d_model] for a vector of each row's own.
        token: a token's number, such as that of `)`.
    """
    running = {}

    def note(module, args, kwargs):
        running["tokens"] = kwargs["input_ids"] if "input_ids" in kwargs else args[0]

    def push(resid, hook):
        here = (running["tokens"] == token)[..., None]
        return resid + here * vector

    handle = model.original_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        with model.hooks(fwd_hooks=[(hook_name(model, layer), push)]):
            yield
    finally:
        handle.remove()


# ---- What a text costs, and what it gains -------------------------------------------------------


class Text(NamedTuple):
    """Measures of one text that a model wrote.

    Attributes:
        words: how many.
        tries: how many are judged, re-checks left out.
        checks: how many re-checks.
        solved: the first accepted try is legal and hits the target.
        gave_up: it ended, and no try was accepted.
        cut: it had not ended when the model was stopped.
    """

    words: float
    tries: float
    checks: float
    solved: float
    gave_up: float
    cut: float


def _not_longer(value: int, given: Mapping) -> str | None:
    n = len(given["words"])
    return (
        None if value >= n else f"is {value}, and the text has {n} words: give what it was cut at"
    )


@guarded(words=(in_words, filled), n_tokens=(count(), _not_longer))
def measure(puzzle: Puzzle, words: Sequence[str], *, n_tokens: int) -> Text:
    """`n_tokens` is what `verification.write` was given: as many words were cut off."""
    judged, cut = countdown.read(puzzle, words), len(words) >= n_tokens
    again = sum(each.again for each in judged)
    accepted = any(each.accepted for each in judged)
    return Text(
        len(words),
        len(judged) - again,
        again,
        countdown.solved(judged),
        not accepted and not cut,
        cut,
    )


# ---- Steps, and what would have been without them -----------------------------------------------


@guarded(words=in_words)
def steps(words: Sequence[str]) -> list[tuple[int, int]]:
    """Where each judged try of a text begins and ends, its verdict and comma included.

    Counted in words after the header; the end is one past the last.
    """
    found, begin, words = [], 0, list(words)
    while "(" in words[begin:] and ")" in words[words.index("(", begin) :]:
        end = words.index(")", words.index("(", begin)) + 1
        end += words[end : end + 1] == [","]
        found.append((begin, end))
        begin = end
    return found


@guarded(written=(as_long_as("puzzles"), each_in_words))
def traces_with_failures(
    puzzles: Sequence[Puzzle], written: Sequence[Sequence[str]], *, at_least: int, at_most: int
) -> list[tuple[Puzzle, list[str], list[countdown.Judged]]]:
    """Solved texts of legal tries with so many failures: each with its puzzle and its tries."""
    found = []
    for puzzle, words in zip(puzzles, written, strict=True):
        judged = countdown.read(puzzle, words)
        good = countdown.solved(judged) and all(each.legal for each in judged)
        if good and at_least <= sum(not each.hit for each in judged) <= at_most:
            found.append((puzzle, list(words), judged))
    return found


def _fits_the_context(value: Tensor, given: Mapping) -> str | None:
    room = given["model"].cfg.n_ctx - len(given["start"])
    if value.is_floating_point() or not 0 < value.shape[1] <= room:
        return f"of shape {tuple(value.shape)} must hold tokens, at most {room} after this start"
    return None


@guarded(
    model=evaluating,
    start=(axes(1), filled),
    continuations=(axes(2), filled, _fits_the_context),
)
def continuation_probs(
    model, start: Int[Tensor, " given"], continuations: Int[Tensor, "row new"]
) -> Float[Tensor, " row"]:
    """The probability that the model goes on with exactly these tokens, for each row.

    Args:
        start: the tokens that stand before, BOS included, the same for all rows.
        continuations: of each row the tokens that follow.
    """
    rows = torch.cat([start.expand(len(continuations), -1), continuations], dim=1)
    with torch.no_grad():
        log_probs = model(rows)[:, len(start) - 1 : -1].log_softmax(-1)
    picked = log_probs.gather(-1, continuations[..., None])[..., 0]
    return picked.sum(-1).exp()


def _of_one_length(value: Sequence[Sequence[str]], _: Mapping) -> str | None:
    return None if len({len(each) for each in value}) == 1 else "must be texts of one length"


@guarded(
    model=evaluating,
    tries=(filled, each_in_words, _of_one_length),
    starts=(filled, each_in_words),
)
@torch.no_grad()
def next_try_probs(
    model, tries: Sequence[Sequence[str]], starts: Sequence[Sequence[str]]
) -> Float[Tensor, "start try"]:
    """The probability that each try, and a bracket, comes next after each start.

    As `continuation_probs`, but each start is read once, and kept in the key-value cache.

    Args:
        tries: in words, without verdicts.
        starts: in words, header included; they may have several lengths.
    """
    plain, device = bare_model(model), model.cfg.device
    found = torch.empty(len(starts), len(tries))
    lengths = [len(start) for start in starts]
    for length in set(lengths):
        rows = [i for i, each in enumerate(lengths) if each == length]
        found[rows] = _probs_of_one_length(plain, device, tries, [starts[i] for i in rows])
    return found


def _probs_of_one_length(plain, device, tries, starts) -> Float[Tensor, "start try"]:
    new = torch.tensor([ids([*words, "("]) for words in tries], device=device)
    given = torch.tensor([ids(["<bos>", *start]) for start in starts], device=device)
    read = plain(given, use_cache=True)
    read.past_key_values.batch_repeat_interleave(len(new))
    new = new.repeat(len(given), 1)
    behind = plain(new[:, :-1], past_key_values=read.past_key_values, use_cache=True).logits
    first = read.logits[:, -1:].repeat_interleave(len(tries), 0)
    log_probs = torch.cat([first, behind], 1).float().log_softmax(-1)
    picked = log_probs.gather(-1, new[..., None])[..., 0].sum(-1)
    return picked.exp().view(len(given), len(tries)).cpu()


@guarded(words=(in_words, filled))
def rejected(words: Sequence[str]) -> list[str]:
    """A try with a failure's verdict behind it: `12 + 7 = 19 ( not 19 ) ,`."""
    return [*words, "(", "not", words[-1], ")", ","]


class Exact(NamedTuple):
    """What `exact_importance` finds.

    Attributes:
        importance: of the step, against tries of another result in its place.
        against_failures: the same, against other failures alone.
        drawn: the probability that each try comes in the step's place, [try].
        solves: for each try in the step's place, the chance that the puzzle is solved by it or by
            the next try, [try].
    """

    importance: Float[Tensor, ""]
    against_failures: Float[Tensor, ""]
    drawn: Float[Tensor, " try"]
    solves: Float[Tensor, " try"]


def _among(value: Sequence[str], given: Mapping) -> str | None:
    fits = list(value) in [list(each) for each in given["tries"]]
    return None if fits else "is none of `tries`"


@guarded(tries=(filled, each_in_words), before=in_words, step=(in_words, _among))
def exact_importance(
    probs: Callable[[list[list[str]]], Float[Tensor, "start try"]],
    tries: Sequence[list[str]],
    before: Sequence[str],
    step: Sequence[str],
    *,
    target: str,
) -> Exact:
    """How much a step changes the chance of solving by the next try: exact, over all `tries`.

    A try whose result is the target solves the puzzle. After any other try, rejected by
    `rejected`, the next try may. Divide each chance by the sum over `tries`.

    Args:
        probs: `probs(starts)` is the probability of each of `tries` after each start. The starts
            are lists of words, of any lengths.
        tries: all that may come, in words; the last word is the result.
        before: the words before the step.
        step: one of `tries`, which stood there.
        target: the result that is wanted, a word.

    Returns:
        `Exact(importance, against_failures, drawn, solves)`: two numbers, and for each try the
        probability that it comes in the step's place (as `probs` gives it, not made to sum to 1)
        and the chance that the puzzle is solved by it or by the next try.
    """
    hit = torch.tensor([each[-1] == target for each in tries])
    other = torch.tensor([each[-1] != step[-1] for each in tries])
    (drawn,) = probs([list(before)])
    behind = probs([[*before, *rejected(each)] for each in tries])
    next_hits = (behind * hit).sum(1) / behind.sum(1)
    solves = torch.where(hit, 1.0, next_hits)
    kept = solves[list(tries).index(step)]

    def instead(among: Bool[Tensor, " try"]) -> Float[Tensor, ""]:
        return (drawn * solves)[among].sum() / drawn[among].sum()

    return Exact(kept - instead(other), kept - instead(other & ~hit), drawn, solves)


# ---- Receiver heads -----------------------------------------------------------------------------


def _in_the_text(value: Sequence[tuple[int, int]], given: Mapping) -> str | None:
    n = given["pattern"].shape[-1]
    fits = len(value) > 2 and all(0 <= begin < end <= n for begin, end in value)
    return None if fits else f"must hold three spans or more, each inside a text of {n} tokens"


def _square(value: Tensor, _: Mapping) -> str | None:
    fits = value.ndim == 3 and value.shape[-1] == value.shape[-2]
    return None if fits else f"has shape {tuple(value.shape)}: give [head, q, k], as wide as high"


@guarded(pattern=(_square, finite), spans=_in_the_text)
def received_by_steps(
    pattern: Float[Tensor, "head q k"], spans: Sequence[tuple[int, int]]
) -> tuple[Float[Tensor, "head earlier"], Float[Tensor, " head"]]:
    """How much each step is attended to by later steps, and how peaked that is, for each head.

    The attention of one step to another is the mean over all pairs of their tokens. A step's score
    is the mean of that over all steps after it; the last step has none. The kurtosis of a head's
    scores is the mean of their fourth powers, once they have mean 0 and (biased) deviation 1,
    minus 3.

    Args:
        pattern: of one text.
        spans: where each step begins, and one past where it ends, in order.

    Source: receiver heads, Thought Anchors (Bogdan et al., 2025, arXiv 2506.19143).
    """
    scores = torch.zeros(len(pattern), len(spans) - 1)
    for i, (begin, end) in enumerate(spans[:-1]):
        later = [pattern[:, b:e, begin:end].mean((1, 2)) for b, e in spans[i + 1 :]]
        scores[:, i] = torch.stack(later).mean(0)
    centred = scores - scores.mean(1, keepdim=True)
    standard = centred / scores.std(1, correction=0, keepdim=True)
    return scores, standard.pow(4).mean(1) - 3
