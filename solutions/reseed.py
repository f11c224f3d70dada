"""A lesson at other seeds: what of its findings hangs on the draw?

    python -m solutions.reseed 11             # lesson 1.1 at three other seeds, its spreads
    python -m solutions.reseed 11 13 --brief  # a line a lesson

Every seed that the lesson and its functions set is moved by the same number; nothing else changes.
Claims and asserts are counted and not stopped at, and a cell that crashes is left.
"""

import argparse
import ast
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import utils.lesson
from solutions.make import LESSONS, ROOT, Lesson, solved_notebook
from utils.lesson import shown

MOVES = (100, 200, 300)


@contextmanager
def moved_seeds(by: int) -> Iterator[None]:
    """Within it, whoever sets a seed sets that seed plus `by`: in torch, numpy and random."""

    class Generator(torch.Generator):
        def __init__(self, *args, **kwargs):
            self.manual_seed(0)

        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + by)

    class Random(random.Random):
        def seed(self, seed=None, version: int = 2) -> None:
            super().seed(seed + by if isinstance(seed, int) else seed, version)

    def moved(function):
        def call(seed=None, *args, **kwargs):
            return function(seed + by if isinstance(seed, int) else seed, *args, **kwargs)

        return call

    with (
        mock.patch.object(torch, "Generator", Generator),
        mock.patch.object(random, "Random", Random),
        mock.patch.object(torch, "manual_seed", moved(torch.manual_seed)),
        mock.patch.object(np.random, "seed", moved(np.random.seed)),
        mock.patch.object(np.random, "default_rng", moved(np.random.default_rng)),
        mock.patch.object(random, "seed", moved(random.seed)),
    ):
        yield


@dataclass
class Run:
    """What one run of a lesson said.

    Attributes:
        claims: label -> (measured, text, within).
        asserts: source -> whether it held.
        crashes: a line for each cell that was left.
    """

    claims: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    asserts: dict[str, bool] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)

    def outside(self) -> set[str]:
        """Labels of the claims that lie outside their tolerance, and asserts that failed."""
        claims = {
            k for k, (found, text, within) in self.claims.items() if not abs(found - text) <= within
        }
        return claims | {source for source, held in self.asserts.items() if not held}


class _Asserts(ast.NodeTransformer):
    """Turns `assert x` into a call that notes whether x holds."""

    def visit_Assert(self, node: ast.Assert) -> ast.Expr:
        source = ast.unparse(node.test)
        call = ast.parse("_note_assert(lambda: 0, '')").body[0]
        call.value.args[0].body, call.value.args[1].value = node.test, source
        return ast.fix_missing_locations(ast.copy_location(call, node))


def run_moved(lesson: Lesson, by: int) -> Run:
    """Runs a lesson with its seeds moved by `by`, in this process."""
    found, seen = Run(), Counter()

    def once(label: str) -> str:
        seen[label] += 1
        return label if seen[label] == 1 else f"{label} ({seen[label]})"

    def note_claim(label: str, measured: float, text: float, within: float) -> None:
        found.claims[once(label)] = (float(measured), float(text), float(within))

    def note_assert(holds, source: str) -> None:
        found.asserts[once(source)] = bool(holds())

    scope = {"__name__": "__main__", "_note_assert": note_assert}
    with moved_seeds(by), mock.patch.object(utils.lesson, "claim", note_claim):
        for cell in solved_notebook(lesson).cells:
            if cell.cell_type != "code":
                continue
            try:
                exec(compile(_Asserts().visit(ast.parse(cell.source)), lesson.stem, "exec"), scope)
            except Exception as error:
                first = cell.source.strip().splitlines()[0]
                found.crashes.append(f"{type(error).__name__}: {error} in the cell `{first}`")
    return found


def _in_a_process_of_its_own(lesson: Lesson, by: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.json"
        env = dict(os.environ, HEADS_TO_FEATURES_DATA=folder)
        env.pop("HEADS_TO_FEATURES_EXPECT", None)
        command = [sys.executable, "-m", "solutions.reseed", lesson.number, "--by", str(by)]
        done = subprocess.run(
            [*command, "--json", str(out)], cwd=ROOT, env=env, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"Lesson {lesson.number} did not run:\n{done.stderr[-2000:]}")
        return Run(**json.loads(out.read_text(encoding="utf-8")))


def table(runs: list[Run]) -> str:
    """Each claim's values at the other seeds, those that leave their tolerance marked."""
    lines = [f"{'':2}{'text':>9} {'within':>8}  at other seeds"]
    for label in dict.fromkeys(label for run in runs for label in run.claims):
        got = [run.claims[label] for run in runs if label in run.claims]
        text, within = got[0][1:]
        values = [value for value, _, _ in got]
        mark = "!" if any(not abs(value - text) <= within for value in values) else ""
        far = max(abs(value - text) for value in values)
        shown_values = " ".join(f"{value:9.3g}" for value in values)
        lines.append(f"{mark:2}{text:9.4g} {within:8.3g} {shown_values}  off {far:.2g}  {label}")
    failed = Counter(s for run in runs for s, held in run.asserts.items() if not held)
    lines += [f"! assert fails at {n} of {len(runs)} seeds: {s[:150]}" for s, n in failed.items()]
    crashes = Counter(crash for run in runs for crash in run.crashes)
    lines += [
        f"! crashes at {n} of {len(runs)} seeds: {crash[:200]}" for crash, n in crashes.items()
    ]
    return "\n".join(lines)


def brief(lesson: Lesson, runs: list[Run]) -> str:
    """The same in one row: seen, outside at each seed, outside at any, crashed cells."""
    seen = len({k for run in runs for k in [*run.claims, *run.asserts]})
    outside = [run.outside() for run in runs]
    each = ", ".join(str(len(labels)) for labels in outside)
    crashes = ", ".join(str(len(run.crashes)) for run in runs)
    return (
        f"| {shown(lesson.number)} | {seen} | {each} | {len(set().union(*outside))} | {crashes} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m solutions.reseed")
    parser.add_argument("numbers", nargs="+", help="of lessons, such as 11")
    parser.add_argument("--brief", action="store_true", help="a row a lesson")
    parser.add_argument("--by", type=int, help="move the seeds by this, in this process")
    parser.add_argument("--json", type=Path, help="with --by: where to write what was measured")
    arguments = parser.parse_args()
    lessons = {lesson.number: lesson for lesson in LESSONS}
    if unknown := set(arguments.numbers) - set(lessons):
        raise SystemExit(f"There is no lesson {min(unknown)}; there are {', '.join(lessons)}.")
    if arguments.by is not None:
        (number,) = arguments.numbers
        with contextlib.redirect_stdout(sys.stderr):
            found = run_moved(lessons[number], arguments.by)
        arguments.json.write_text(json.dumps(asdict(found)), encoding="utf-8")
        return
    for number in arguments.numbers:
        runs = [_in_a_process_of_its_own(lessons[number], by) for by in MOVES]
        print(brief(lessons[number], runs), flush=True)
        if not arguments.brief:
            print(table(runs), flush=True)


if __name__ == "__main__":
    main()
