"""CountDown texts of one try, for attribution graphs."""

import random

from data.countdown import task
from utils.guards import count, guarded


@guarded(n=count())
def one_try(n: int, *, generator: random.Random) -> list[tuple[str, bool]]:
    """Texts up to the bracket in which the model judges, and whether the try hits the target.

    `so make 15 from 12 7 4 : 12 + 7 = 19 - 4 = 15 (`; hits and misses in turn, three numbers, of
    sets that no model was trained on.

    Args:
        generator: of the puzzles and tries.
    """
    found: list[tuple[str, bool]] = []
    for puzzle, tries in task.puzzles(generator, test=True):
        misses = [value for value in tries if value != puzzle.target]
        if len(puzzle.numbers) != 3 or not misses:
            continue
        hit = len(found) % 2 == 0
        one = generator.choice(tries[puzzle.target if hit else generator.choice(misses)])
        found.append((" ".join([*puzzle.header, *one.words, "("]), hit))
        if len(found) == n:
            break
    return found
