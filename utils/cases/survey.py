"""The first half of lesson 5.1 for a model that is new to you, on a text that is put before it.

The text has two solved examples and a line such as `12 + 7 - 4 = 15 (`, where the next token is the
verdict. Any model will do whose tokenizer ends a token with each number.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from data.countdown import task as countdown
from data.countdown.task import Puzzle
from utils import stats
from utils.cases import verification
from utils.cases.verification import Brackets
from utils.guards import axes, count, evaluating, filled, finite, guarded, several

EXAMPLES = (
    "Numbers: 3, 8, 2. Target: 13.\n8 + 3 - 2 = 9 (not 13)\n8 + 3 + 2 = 13 (this works)\n\n"
    "Numbers: 20, 6, 9. Target: 17.\n20 + 6 - 9 = 17 (this works)\n\n"
)


@guarded(puzzles=filled)
def text_brackets(
    model, puzzles: Sequence[Puzzle], *, generator: random.Random | None = None
) -> Brackets:
    """One try of each puzzle in plain text, every other a hit, each text up to its bracket.

    After two solved examples stands `Numbers: 12, 7, 4. Target: 15.` and a line such as
    `12 + 7 - 4 = 15 (`.

    Args:
        generator: of the tries; without one they are the same in each call.

    Raises:
        ValueError: a puzzle cannot be solved, or not be missed.
    """
    generator, rows, positions = generator or random.Random(0), [], []
    for i, puzzle in enumerate(puzzles):
        found = countdown.tries(puzzle.numbers)
        misses = [value for value in found if value != puzzle.target]
        if puzzle.target not in found or not misses:
            raise ValueError(f"{puzzle.numbers} cannot both hit and miss {puzzle.target}.")
        hit = i % 2 == 0
        one = generator.choice(found[puzzle.target if hit else generator.choice(misses)])
        terms = [f" {sign} {n}" for sign, n in zip(one.signs, one.order[1:], strict=True)]
        numbers = ", ".join(map(str, puzzle.numbers))
        head = f"{EXAMPLES}Numbers: {numbers}. Target: {puzzle.target}"
        text = f"{head}.\n{one.order[0]}{''.join(terms)} = {one.results[-1]} ("
        rows.append(model.to_tokens(text)[0])
        positions.append((i, len(rows[-1]) - 1, model.to_tokens(head).shape[1] - 1, hit))
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.cfg.device)
    text, pos, target, hit = torch.tensor(positions, device=model.cfg.device).T
    return Brackets(tokens, text, pos, target, hit.bool())


class Survey(NamedTuple):
    """What `survey` finds at the brackets of a text. Every share of 1 is a whole; chance is 0.5.

    Attributes:
        verdicts: `verification.yes_share` at each bracket, [position].
        hit: whether the result is the target, [position].
        verdict_auc: how often a hit's verdict is above a miss's.
        bracket: the same for a probe on the bracket's state, cross-validated, by layer, [layer].
        result: for a probe on the state one token before, at the result, [layer].
        before: for a probe where the target ends, before there is a result: a control, [layer].
        shuffled: for probes on the bracket with labels drawn anew, [draw, layer]: a control.
    """

    verdicts: Float[Tensor, " position"]
    hit: Bool[Tensor, " position"]
    verdict_auc: float
    bracket: Float[Tensor, " layer"]
    result: Float[Tensor, " layer"]
    before: Float[Tensor, " layer"]
    shuffled: Float[Tensor, "draw layer"]


@guarded(words=(several, filled))
def word_tokens(model, words: Sequence[str], *, after: str = " (") -> tuple[int, ...]:
    """The first token of each word when it stands right after `after`.

    Raises:
        ValueError: the tokenizer makes one token of `after` and the word, or does not know it.
    """
    start = model.to_tokens(after, prepend_bos=False)[0].tolist()
    rows = [model.to_tokens(after + word, prepend_bos=False)[0].tolist() for word in words]
    if any(len(row) == len(start) or row[: len(start)] != start for row in rows):
        raise ValueError(
            f"This tokenizer joins {after!r} and the word after it: give the tokens yourself."
        )
    found = tuple(row[len(start)] for row in rows)
    unknown = getattr(model.tokenizer, "unk_token_id", None)
    if bad := [word for word, token in zip(words, found, strict=True) if token == unknown]:
        raise ValueError(f"This tokenizer does not know {bad[0]!r}: give the tokens yourself.")
    return found


@guarded(
    model=evaluating,
    folds=count(low=2),
    draws=count(),
    batch_size=count(),
)
@torch.no_grad()
def survey(
    model,
    puzzles: Sequence[Puzzle],
    *,
    yes: Sequence[int] | None = None,
    no: Sequence[int] | None = None,
    folds: int = 5,
    draws: int = 20,
    batch_size: int = 8,
    generator: torch.Generator | None = None,
) -> Survey:
    """Verdicts and probes by layer, in one pass of `text_brackets`.

    The probes are differences of means, tested on puzzles that they were not made from. Looking for
    the best of many layers finds something by luck: compare the best of `bracket` with the best of
    each draw of `shuffled`.

    Args:
        yes: tokens for yes; None takes that of `this`, and of `not` for `no`.
        folds: of the cross-validation.
        draws: how often labels are drawn anew.
        batch_size: texts that run at once.
        generator: of the shuffled labels; without one they are the same in each call.
    """
    positions = text_brackets(model, puzzles)
    n_layers, hit = model.cfg.n_layers, positions.hit.cpu()
    words = {
        "yes": word_tokens(model, ["this"]) if yes is None else yes,
        "no": word_tokens(model, ["not"]) if no is None else no,
    }
    kept: dict[str, list[Tensor]] = {name: [] for name in ("bracket", "result", "before")}
    said = []
    for part in torch.arange(len(hit), device=positions.pos.device).split(batch_size):
        some = positions.where(torch.isin(positions.text, part))
        resid: list[Tensor] = []

        def keep(activation, hook, some=some, resid=resid):
            target = activation[some.text, some.target]
            at = [some.of(activation), some.of(activation, back=1), target]
            resid.append(torch.stack(at).float().cpu())

        hooks = [(f"blocks.{layer}.hook_resid_pre", keep) for layer in range(n_layers)]
        hooks.append((f"blocks.{n_layers - 1}.hook_resid_post", keep))
        with model.hooks(fwd_hooks=hooks):
            said.append(verification.yes_share(some.of(model(some.tokens)), **words).cpu())
        for name, values in zip(kept, torch.stack(resid, 1), strict=True):
            kept[name].append(values)  # [layer, position, d_model]
    verdicts = torch.cat(said)
    found = {name: torch.cat(parts, 1) for name, parts in kept.items()}
    generator = generator or torch.Generator().manual_seed(0)
    shuffled = [hit[torch.randperm(len(hit), generator=generator)] for _ in range(draws)]
    return Survey(
        verdicts,
        hit,
        stats.auc(verdicts, hit.int()),
        *(probe_aucs(found[name], hit, folds=folds) for name in kept),
        torch.stack([probe_aucs(found["bracket"], labels, folds=folds) for labels in shuffled]),
    )


def _enough(value: int, given: Mapping) -> str | None:
    labels = given["labels"]
    fewest = min(int(labels.sum()), int((~labels).sum()))
    return None if value <= fewest else f"is {value}, and one label has {fewest} positions alone"


def _each_position(value: Tensor, given: Mapping) -> str | None:
    n = given["x"].shape[1]
    return None if len(value) == n else f"has {len(value)} entries: `x` has {n} positions"


def _true_or_false(value: Tensor, _: Mapping) -> str | None:
    return (
        None if value.dtype == torch.bool else f"is {value.dtype}: give True or False (`.bool()`)"
    )


@guarded(
    x=(axes(3), finite),
    labels=(_true_or_false, _each_position),
    folds=(count(low=2), _enough),
)
def probe_aucs(
    x: Float[Tensor, "layer position d_model"], labels: Bool[Tensor, " position"], *, folds: int
) -> Float[Tensor, " layer"]:
    """How well a difference of means ranks positions it was not made from, by layer.

    Every fold has as many positions of each label as can be. Scores are compared within a fold.
    """
    fold = torch.empty(len(labels), dtype=torch.long)
    for label in (True, False):
        rows = (labels == label).nonzero()[:, 0]
        fold[rows] = torch.arange(len(rows)) % folds
    found = torch.zeros(len(x))
    for i in range(folds):
        out = fold == i
        fit_x, fit_y, y = x[:, ~out], labels[~out], labels[out].int()
        direction = fit_x[:, fit_y].mean(1) - fit_x[:, ~fit_y].mean(1)  # [layer, d_model]
        scores = (x[:, out] @ direction[..., None])[..., 0]
        found += torch.tensor([stats.auc(each, y) for each in scores]) / folds
    return found
