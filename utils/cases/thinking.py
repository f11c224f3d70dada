"""When a small reasoning model goes on and when it stops, and which of its steps matter.

At `)` a verdict is complete. `,` after it goes on, to a new try or to `check`; `<eos>` stops.
Steps are the tries of a trace, each with its verdict. Source of counterfactual importance by
resampling: Thought Anchors (Bogdan et al., 2025, arXiv 2506.19143).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from data.countdown import task as countdown
from data.countdown.task import NO, YES, Puzzle, Try, each_in_words, ids, in_words
from utils.cases.verification import chosen_rows, same_texts
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
from utils.steering import Change, Steering, check_shape, hook_name
from utils.writing.fluency import repetition, zlib_ratio

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
        goes_on: `continue_share` at the `)`.
        other: the probability of any word but `,` and `<eos>` there.
        check: the probability of `check` after the `,`.
        number: the probability of one of the puzzle's numbers after the `,`: of a new try.
    """

    goes_on: Float[Tensor, " position"]
    other: Float[Tensor, " position"]
    check: Float[Tensor, " position"]
    number: Float[Tensor, " position"]


def _all_puzzles(value: Sequence[Puzzle], given: Mapping) -> str | None:
    last = int(given["positions"].puzzle.max())
    return None if len(value) > last else f"are {len(value)}, and a position is in number {last}"


@guarded(model=evaluating, puzzles=_all_puzzles)
@torch.no_grad()
def going_on(
    model,
    positions: Endings,
    puzzles: Sequence[Puzzle],
    *,
    steering: tuple[Tensor, int] | None = None,
) -> GoingOn:
    """Read, not sampled. `steering` is a vector and its layer, for `steer_at`, at each `)`."""
    found = []
    with steer_at(model, steering[0], layer=steering[1]) if steering else nullcontext():
        for part in positions.parts():
            logits = model(part.tokens)
            here, behind = (part.of(logits, back=back).float().cpu() for back in (0, -1))
            share = continue_share(here, COMMA, STOP)
            here, behind = here.softmax(-1), behind.softmax(-1)
            number = torch.zeros(len(behind), behind.shape[1])
            for row, puzzle in enumerate(part.puzzle.tolist()):
                number[row, ids([str(n) for n in puzzles[puzzle].numbers])] = 1
            other = 1 - here[:, COMMA] - here[:, STOP]
            found.append((share, other, behind[:, CHECK], (behind * number).sum(-1)))
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


# ---- Steering at one kind of token --------------------------------------------------------------


def _of_resid(value: Tensor, given: Mapping) -> str | None:
    """A token for each position of the stream."""
    shape = tuple(given["resid"].shape[:2])
    return None if value.shape == shape else f"has shape {tuple(value.shape)}: give {shape}"


@guarded(resid=axes(3), tokens=_of_resid, vector=finite, token=count(low=0))
def add_at_token(
    resid: Float[Tensor, "batch here d_model"],
    tokens: Int[Tensor, "batch here"],
    vector: Float[Tensor, " d_model"],
    *,
    token: int,
) -> Float[Tensor, "batch here d_model"]:
    """A copy of `resid` with `vector` added wherever the token that runs is `token`.

    Args:
        resid: the residual stream at the positions that run now.
        tokens: the tokens at these positions.
        token: the number of a token, such as that of `)`.
    """
    return resid + (tokens == token)[..., None] * vector


class SteeringAtToken(Steering):
    """A `Steering` that sees the tokens which run now: with a cache, those of this step alone."""

    def __init__(self, change: Change, *, layer: int, token: int):
        super().__init__(change, layer=layer, positions=slice(None))
        self.token, self.tokens = token, None

    def __call__(self, resid: Float[Tensor, "batch pos d_model"], hook=None) -> Tensor:
        return add_at_token(resid, self.tokens, self.change.to(resid), token=self.token)

    @contextmanager
    def watching(self, module: torch.nn.Module) -> Iterator[None]:
        """While this is open, know which tokens `module` is given."""

        def note_tokens(module, args, kwargs):
            self.tokens = kwargs["input_ids"] if "input_ids" in kwargs else args[0]

        handle = module.register_forward_pre_hook(note_tokens, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


@guarded(change=finite)
@contextmanager
def steer_at(
    model, change: Float[Tensor, "*shape d_model"], *, layer: int, token: int = CLOSE
) -> Iterator[None]:
    """While this is open, add a vector where a model reads `token`, also in what it writes itself.

    Like `utils.steering.steer`: for forward passes, `generate` with its cache, and `sample`.

    Args:
        change: [d_model], or [batch 1 d_model] for a vector of each row's own.
        layer: it is added to `resid_pre` of this layer; `n_layers` is after the last block.
        token: its number.

    Raises:
        ValueError: the layer or the token does not exist, or `change` does not fit.
    """
    if not 0 <= token < model.cfg.d_vocab:
        raise ValueError(f"There is no token {token}: this model has 0 to {model.cfg.d_vocab - 1}.")
    name = hook_name(model, layer)
    check_shape(change, slice(None), model.cfg.d_model)
    steering = SteeringAtToken(change, layer=layer, token=token)
    with steering.watching(model.original_model), model.hooks(fwd_hooks=[(name, steering)]):
        yield


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
        repeated: the share of 8-grams that had come before (0 for a text with fewer words).
        zlib: compressed size over size.
    """

    words: float
    tries: float
    checks: float
    solved: float
    gave_up: float
    cut: float
    repeated: float
    zlib: float


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
    repeated = repetition(torch.tensor([ids(words)]), n=8).item() if len(words) >= 8 else 0.0
    return Text(
        len(words),
        len(judged) - again,
        again,
        countdown.solved(judged),
        not accepted and not cut,
        cut,
        repeated,
        zlib_ratio([" ".join(words)]).item(),
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


def _some(value: Tensor, _: Mapping) -> str | None:
    """True or False of each rollout, at least once True."""
    if value.dtype != torch.bool:
        return f"is {value.dtype}: give True or False for each rollout (`.bool()`)"
    return None if bool(value.any()) else "holds no True: draw more rollouts"


@guarded(kept=filled, differs=(as_long_as("resampled"), _some))
def importance(
    kept: Bool[Tensor, " rollout"],
    resampled: Bool[Tensor, " other"],
    differs: Bool[Tensor, " other"],
) -> Float[Tensor, ""]:
    """Counterfactual importance: what keeping a step adds to the chance of solving, from rollouts.

    Args:
        kept: whether each rollout after the step solved the puzzle.
        resampled: the same for rollouts that drew the step anew.
        differs: whether the step that was drawn is another one.

    Source: Thought Anchors (Bogdan et al., 2025, arXiv 2506.19143).
    """
    return kept.float().mean() - resampled[differs].float().mean()


def _inside(value: int, given: Mapping) -> str | None:
    n = given["tokens"].shape[1]
    return None if 0 < value < n else f"is {value}: rows of {n} tokens continue from 1 to {n - 1}"


def _tokens_at(value: Tensor, given: Mapping) -> str | None:
    """A token of the vocabulary for each position of the logits."""
    shape, n = tuple(given["logits"].shape[:2]), given["logits"].shape[2]
    if tuple(value.shape) != shape:
        return f"has shape {tuple(value.shape)}: give {shape}"
    return None if bool(((value >= 0) & (value < n)).all()) else f"must hold tokens 0 to {n - 1}"


@guarded(logits=axes(3), tokens=_tokens_at, start=(count(), _inside))
def continuation_log_probs(
    logits: Float[Tensor, "row pos d_vocab"], tokens: Int[Tensor, "row pos"], *, start: int
) -> Float[Tensor, " row"]:
    """The log probability, in nats, of each row's tokens from `start` on, given those before.

    Args:
        logits: those at a position are about the next token.
        start: the position of the first token that counts.
    """
    log_probs = logits[:, start - 1 : -1].log_softmax(-1)
    return log_probs.gather(-1, tokens[:, start:, None])[..., 0].sum(-1)


def _of_one_length(value: Sequence[Sequence[str]], _: Mapping) -> str | None:
    return None if len({len(each) for each in value}) == 1 else "must be texts of one length"


@guarded(
    model=evaluating,
    starts=(filled, each_in_words, _of_one_length),
    batch_size=count(),
)
@torch.no_grad()
def next_tries(
    model, puzzle: Puzzle, starts: Sequence[Sequence[str]], *, batch_size: int = 256
) -> tuple[list[Try], Float[Tensor, "start try"]]:
    """All legal tries of a puzzle, and the exact probability that each comes next.

    What is missing to 1 goes to tries that are not legal and to texts that are no try.

    Args:
        starts: what stands before the try, header included; of one length.
    """
    every = [each for found in countdown.tries(puzzle.numbers).values() for each in found]
    whole = [["<bos>", *start, *each.words, "("] for start in starts for each in every]
    tokens = torch.tensor([ids(words) for words in whole], device=model.cfg.device)
    first = len(starts[0]) + 1
    found = [
        continuation_log_probs(model(part).float(), part, start=first).cpu()
        for part in tokens.split(batch_size)
    ]
    return every, torch.cat(found).exp().view(len(starts), len(every))


class Exact(NamedTuple):
    """What `exact_importance` finds.

    Attributes:
        importance: of the step, against steps of another result.
        among_misses: of a failed step, against other failures alone; nan for a hit.
        chance: that a try drawn in the step's place hits: the chance at the cut.
        unread: the largest share of probability, in the texts that were read, on tries that are
            not legal. They are left out.
        results: what each legal try that may stand in the step's place comes to.
        chances: that the next try hits after it; 1 for a try that hits itself, [try].
    """

    importance: float
    among_misses: float
    chance: float
    unread: float
    results: list[int]
    chances: Float[Tensor, " try"]


def _alone(value: Sequence[str], given: Mapping) -> str | None:
    """A legal try without its verdict."""
    legal = [
        one.words for some in countdown.tries(given["puzzle"].numbers).values() for one in some
    ]
    return None if list(value) in legal else "is no legal try of this puzzle, without its verdict"


@guarded(before=in_words, step=(in_words, _alone))
def exact_importance(model, puzzle: Puzzle, before: Sequence[str], step: Sequence[str]) -> Exact:
    """A step's importance for solving by the next try, from all legal tries that may come.

    Kept, the step has hit, or the next try may. Drawn anew among tries of another result, the step
    itself may hit, or the next one. Verdicts are taken to be right, a failure's as `( not 23 ) ,`.

    Args:
        before: the header and the steps before this one.
        step: the try alone, without its verdict.
    """

    def failed(words: Sequence[str]) -> list[str]:
        return [*before, *words, "(", "not", words[-1], ")", ","]

    every, (p,) = next_tries(model, puzzle, [before])
    misses = [each for each in every if each.results[-1] != puzzle.target]
    _, behind = next_tries(model, puzzle, [failed(step), *(failed(each.words) for each in misses)])
    hit = torch.tensor([each.results[-1] == puzzle.target for each in every])
    other = torch.tensor([str(each.results[-1]) != step[-1] for each in every])
    chances = behind[:, hit].sum(1) / behind.sum(1)  # that the next try hits, [branch]
    solves = torch.ones(len(every))
    solves[~hit] = chances[1:]
    hits = step[-1] == str(puzzle.target)
    kept = 1.0 if hits else float(chances[0])

    def instead(among: Bool[Tensor, " try"]) -> float:
        return float((p * solves)[among].sum() / p[among].sum())

    return Exact(
        kept - instead(other),
        torch.nan if hits else kept - instead(other & ~hit),
        float(p[hit].sum() / p.sum()),
        1 - min(float(p.sum()), float(behind[hits:].sum(1).min())),
        [each.results[-1] for each in every],
        solves,
    )


def _square(value: Tensor, _: Mapping) -> str | None:
    fits = value.ndim > 1 and value.shape[-1] == value.shape[-2]
    return (
        None if fits else f"has shape {tuple(value.shape)}: its last axes are [q, k], of one size"
    )


@guarded(pattern=(_square, finite), spans=filled, queries=(filled, index_of("pattern", -2)))
def received_attention(
    pattern: Float[Tensor, "*head q k"],
    spans: Sequence[tuple[int, int]],
    *,
    queries: Sequence[int] | None = None,
) -> Float[Tensor, "*head span"]:
    """The attention that a span of tokens gets from a later token, on average over later tokens.

    0 for a span with no such token after it.

    Args:
        spans: where each begins, and one past where it ends.
        queries: the tokens that count, such as the brackets; None is all.

    Raises:
        ValueError: a span or a query is outside of the pattern, or a span is empty.
    """
    n = pattern.shape[-2]
    if bad := [each for each in spans if not 0 <= each[0] < each[1] <= n]:
        raise ValueError(f"The span {bad[0]} does not lie in a text of {n} tokens.")
    counted = torch.zeros(n, dtype=torch.bool, device=pattern.device)
    counted[list(range(n)) if queries is None else list(queries)] = True
    received = []
    for begin, end in spans:
        later = counted & (torch.arange(n, device=pattern.device) >= end)
        total = pattern[..., later, begin:end].sum((-1, -2))
        received.append(total / max(1, int(later.sum())))
    return torch.stack(received, -1)


@guarded(model=evaluating, words=in_words)
@torch.no_grad()
def guesses(model, puzzle: Puzzle, words: Sequence[str]) -> dict[str, Float[Tensor, " step"]]:
    """What might tell, without resampling, how much each step of a text matters.

    Received attention is a mean over all heads of all layers, from every later token, or from later
    brackets alone, where a verdict is due.
    """
    whole = ["<bos>", *puzzle.header, *words]
    tokens = torch.tensor([ids(whole)], device=model.cfg.device)
    first = len(puzzle.header) + 1
    spans = [(first + begin, first + end) for begin, end in steps(words)]
    patterns: list[Tensor] = []

    def keep(pattern, hook):
        patterns.append(pattern[0].float().cpu())

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(tokens)
    pattern = torch.cat(patterns).mean(0)
    brackets = [i for i, word in enumerate(whole) if word == "("]
    return {
        "attention from later tokens": received_attention(pattern, spans),
        "attention from later verdicts": received_attention(pattern, spans, queries=brackets),
        "position": torch.arange(len(spans)).float(),
    }
