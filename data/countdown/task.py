"""The game CountDown: reach a target from some numbers by + and -; and reading what a model wrote.

A trace is a header and tries, each judged in brackets:
`make 15 from 12 7 4 : 12 + 4 = 16 + 7 = 23 ( not 23 ) , 12 + 7 = 19 - 4 = 15 ( this works )`.
"""

import itertools
import math
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from utils.guards import as_long_as, count, filled, guarded

N_NUMBERS = 64  # 0 to 63 are tokens
YES = ("this", "yes", "right", "solved")  # the token after the bracket: the verdict
NO = ("not", "no", "wrong", "misses")
FILLERS = ("please", "now", "then", "so", "well", "again")
MARKS = ("make", "from", ":", "+", "-", "=", "(", ")", ",", "works", "check")
VOCABULARY = (
    "<pad>",
    "<bos>",
    "<eos>",
    "<unk>",
    *MARKS,
    *YES,
    *NO,
    *FILLERS,
    *map(str, range(N_NUMBERS)),
)


def in_words(value: Any, _: Mapping) -> str | None:
    """A text as a list of its words."""
    return "is one text: give its words, `text.split()`" if isinstance(value, str) else None


def each_in_words(value: Any, _: Mapping) -> str | None:
    """Texts, each as a list of its words."""
    texts = isinstance(value, str) or any(isinstance(each, str) for each in value)
    return "must hold a list of words for each text: `text.split()`" if texts else None


def in_range(numbers: Any, _: Mapping) -> str | None:
    """Numbers of a puzzle."""
    fit = all(isinstance(n, int) and 0 <= n < N_NUMBERS for n in numbers)
    if fit and 2 <= len(numbers) <= 7:
        return None
    return f"are {tuple(numbers)}: give 2 to 7 whole numbers from 0 to {N_NUMBERS - 1}"


@guarded(words=in_words)
def ids(words: Sequence[str]) -> list[int]:
    """The token of each word.

    Raises:
        ValueError: one is not in the vocabulary.
    """
    if unknown := [word for word in words if word not in VOCABULARY]:
        raise ValueError(f"The vocabulary of this game has no {unknown[0]!r}.")
    return [VOCABULARY.index(word) for word in words]


class Puzzle(NamedTuple):
    """Numbers, the target, and words before the header (none where the header is fixed)."""

    numbers: tuple[int, ...]
    target: int
    before: tuple[str, ...] = ()

    @property
    def header(self) -> list[str]:
        """`now so make 15 from 12 7 4 :`, in words."""
        return [*self.before, "make", str(self.target), "from", *map(str, self.numbers), ":"]


class Try(NamedTuple):
    """`12 + 7 = 19 - 4 = 15`: numbers in their order, signs between them, results so far."""

    order: tuple[int, ...]
    signs: tuple[str, ...]
    results: tuple[int, ...]

    @property
    def words(self) -> list[str]:
        words = [str(self.order[0])]
        for sign, number, value in zip(self.signs, self.order[1:], self.results, strict=True):
            words += [sign, str(number), "=", str(value)]
        return words


@guarded(numbers=in_range)
def tries(numbers: Sequence[int]) -> dict[int, list[Try]]:
    """Every try that uses each number once and stays between 0 and 63, by what it comes to."""
    found: dict[int, list[Try]] = {}
    for order in sorted(set(itertools.permutations(numbers))):
        for signs in itertools.product("+-", repeat=len(numbers) - 1):
            terms = (n if sign == "+" else -n for sign, n in zip(signs, order[1:], strict=True))
            results = tuple(itertools.accumulate(terms, initial=order[0]))[1:]
            if all(0 <= value < N_NUMBERS for value in results):
                found.setdefault(results[-1], []).append(Try(order, signs, results))
    return found


@guarded(puzzle=lambda puzzle, given: in_range(puzzle.numbers, given))
def held_out(puzzle: Puzzle) -> bool:
    """Whether a puzzle is for testing alone: one in ten sets of numbers, with every target."""
    return zlib.crc32(bytes(sorted(puzzle.numbers))) % 10 == 0


@guarded(longest=count(low=0))
def puzzles(
    generator: random.Random, *, test: bool, variable: bool = True, longest: int = 7
) -> Iterator[tuple[Puzzle, dict[int, list[Try]]]]:
    """Puzzles that can be solved, without end, each with all its tries."""
    while True:
        n = generator.choice((3, 4))
        numbers = tuple(generator.randint(1, N_NUMBERS // 2) for _ in range(n))
        n_before = generator.randint(0, longest) if variable else 0
        before = tuple(generator.choices(FILLERS, k=n_before))
        found = tries(numbers)
        if len(found) > 1:
            puzzle = Puzzle(numbers, generator.choice(list(found)), before)
            if held_out(puzzle) == test:
                yield puzzle, found


class Judged(NamedTuple):
    """A try as a model wrote it, and what is true of it.

    Attributes:
        words: the try alone, `12 + 7 = 19`.
        legal: the sums are right, and each number is used once.
        hit: the last result is the target.
        accepted: the model said yes.
        again: it came after `check`.
    """

    words: tuple[str, ...]
    legal: bool
    hit: bool
    accepted: bool
    again: bool


@guarded(words=in_words)
def read(puzzle: Puzzle, words: Sequence[str]) -> list[Judged]:
    """The tries in what a model wrote after the header: those that have a verdict.

    A try stands between a `,` or `)`, or the beginning, and a bracket that opens with a verdict.
    """
    right = {tuple(some.words) for each in tries(puzzle.numbers).values() for some in each}
    found, start = [], 0
    for i, (word, verdict) in enumerate(itertools.pairwise(words)):
        if word == "(" and verdict in YES + NO:
            again = words[start] == "check"
            written = tuple(words[start + again : i])
            if written:
                hit = written[-1] == str(puzzle.target)
                found.append(Judged(written, written in right, hit, verdict in YES, again))
        if word in (",", ")", "("):
            start = i + 1
    return found


def solved(judged: Sequence[Judged]) -> bool:
    """Whether a search ends well: its first accepted try is legal and hits the target."""
    first = next((each for each in judged if each.accepted), None)
    return first is not None and first.hit and first.legal


@guarded(puzzles=filled, written=(as_long_as("puzzles"), each_in_words))
def ability(puzzles: Sequence[Puzzle], written: Sequence[Sequence[str]]) -> dict[str, float]:
    """Shares: of puzzles that are solved, of tries that are legal, of verdicts that are right.

    Raises:
        ValueError: no try is judged.
    """
    each = [read(puzzle, words) for puzzle, words in zip(puzzles, written, strict=True)]
    flat = [judged for some in each for judged in some]
    if not flat:
        raise ValueError("No text has a try with a verdict: let the model write more tokens.")
    return {
        "solved": sum(map(solved, each)) / len(each),
        "legal": sum(judged.legal for judged in flat) / len(flat),
        "verdicts right": sum(judged.accepted == judged.hit for judged in flat) / len(flat),
        "tries a puzzle": len(flat) / len(each),
    }


@guarded(puzzles=filled, written=(as_long_as("puzzles"), each_in_words))
def habits(puzzles: Sequence[Puzzle], written: Sequence[Sequence[str]]) -> dict[str, float]:
    """How a model plays, whether or not it notices a success.

    Shares: of puzzles that are solved, and that are reached by a legal try, accepted or not; of
    hits that are accepted; and of the first three tries of each puzzle that are legal. And the mean
    number of tries. A share of none is NaN.
    """
    each = [read(puzzle, words) for puzzle, words in zip(puzzles, written, strict=True)]
    flat = [judged for some in each for judged in some]
    hits = [judged.accepted for judged in flat if judged.hit]
    first = [judged.legal for some in each for judged in some[:3]]
    reached = [any(judged.hit and judged.legal for judged in some) for some in each]
    return {
        "solved": sum(map(solved, each)) / len(each),
        "reached": sum(reached) / len(each),
        "hits accepted": sum(hits) / len(hits) if hits else math.nan,
        "tries": len(flat) / len(each),
        "legal, first three": sum(first) / len(first) if first else math.nan,
    }
