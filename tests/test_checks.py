"""The answer key: solutions and the course's versions pass, and mistakes are named."""

import ast
import importlib

import pytest
import torch

from solutions import make
from solutions.reseed import moved_seeds
from utils.checks.engine import CORRECT, NOT_ATTEMPTED, WRONG, Unsolved, Wrong, match
from utils.checks.progress import exercises
from utils.lesson import claim

EXERCISES = [name for names in exercises().values() for name in names]


def answers(what: str) -> dict:
    """MISTAKES, RIGHT or ADAPTED of all lessons' `tests/answers`.

    MISTAKES: exercise -> [(the mistake, the function, part of the message that names it)].
    RIGHT: exercise -> [(the style, the function)], right answers written in other ways.
    ADAPTED: exercise -> the course's version, where it is not a function of that name.
    """
    found = {}
    for number in exercises():
        found |= getattr(importlib.import_module(f"tests.answers.lesson_{number}"), what, {})
    return found


def checks() -> dict:
    """Exercise -> its check, over all lessons."""
    found = {}
    for number in exercises():
        module = importlib.import_module(f"utils.checks.lesson_{number}")
        for value in vars(module).values():
            if hasattr(value, "exercise") and hasattr(value, "verdict"):
                found[value.exercise] = value
    return found


def solutions() -> dict:
    """Exercise -> its solution's source, below the lesson's imports and the solutions before it."""
    found = {}
    for each in make.LESSONS:
        cells = [c for c in make.solved_notebook(each).cells if c.cell_type == "code"]
        above = ast.parse(cells[1].source).body  # the cell after the set-up
        code = "\n".join(
            ast.unparse(node) for node in above if isinstance(node, ast.Import | ast.ImportFrom)
        )
        for cell in cells:
            if "### BEGIN SOLUTION" in cell.source:
                names = [
                    n.targets[0].id if isinstance(n, ast.Assign) else getattr(n, "name", "")
                    for n in ast.parse(cell.source).body
                ]
                code = f"{code}\n{cell.source}"
                found |= {name: code for name in names if name in EXERCISES}
    return found


def library() -> dict:
    """Exercise -> the course's version, found by the path that its check declares."""
    found = {}
    for name, check in CHECKS.items():
        module, _, function = check.path.rpartition(".")
        if module:
            found[name] = getattr(importlib.import_module(module), function)
    return found


def given(name: str, value):
    """What an exercise's check is given: a function that returns it, or an answer as it is."""
    return value if CHECKS[name].path == "" else lambda *args, **kwargs: value


def run(source: str, name: str):
    """What a cell of an exercise defines: a function, or the answer of an investigation."""
    scope: dict = {}
    exec(source, scope)
    return scope[name]


MISTAKES, RIGHT, ADAPTED = answers("MISTAKES"), answers("RIGHT"), answers("ADAPTED")
CHECKS, SOLUTIONS = checks(), solutions()
FUNCTIONS = [name for name, check in CHECKS.items() if check.path]  # and not answers
LIBRARY = library()


def test_every_exercise_has_a_check_a_solution_and_wrong_answers():
    assert set(CHECKS) == set(SOLUTIONS) == set(MISTAKES) == set(EXERCISES)
    assert len(EXERCISES) == len(set(EXERCISES)), "progress is kept by the exercise's name"
    assert set(LIBRARY) | set(ADAPTED) <= set(EXERCISES) and not set(LIBRARY) & set(ADAPTED)
    assert all(len(wrong) >= 3 for wrong in MISTAKES.values())


# Fixtures are drawn with seeds: right answers pass, and mistakes are named, at others too.
at_two_seeds = pytest.mark.parametrize("moved", [0, 1000])


@at_two_seeds
@pytest.mark.parametrize("name", CHECKS)
def test_the_solution_passes(name, moved):
    with moved_seeds(moved):
        verdict = CHECKS[name].verdict(run(SOLUTIONS[name], name))
    assert verdict.state == CORRECT, verdict


@at_two_seeds
@pytest.mark.parametrize("name", LIBRARY | ADAPTED)
def test_the_library_version_passes(name, moved):
    with moved_seeds(moved):
        verdict = CHECKS[name].verdict((LIBRARY | ADAPTED)[name])
    assert verdict.state == CORRECT, verdict


def test_every_exercise_has_right_answers_in_three_styles():
    """With the solution itself."""
    assert {name for name in CHECKS if len(RIGHT.get(name, [])) < 2} == set()


@at_two_seeds
@pytest.mark.parametrize(
    ("name", "function"),
    [pytest.param(n, f, id=f"{n}: {style}") for n, rows in RIGHT.items() for style, f in rows],
)
def test_a_right_answer_in_another_style_passes(name, function, moved):
    with moved_seeds(moved):
        verdict = CHECKS[name].verdict(function)
    assert verdict.state == CORRECT, verdict


@pytest.mark.parametrize("name", CHECKS)
def test_a_blank_is_not_attempted(name):
    def blank(*args, **kwargs):
        raise NotImplementedError

    assert CHECKS[name].verdict(given(name, ...)).state == NOT_ATTEMPTED
    if name in FUNCTIONS:
        assert CHECKS[name].verdict(blank).state == NOT_ATTEMPTED


@at_two_seeds
@pytest.mark.parametrize(
    ("name", "mistake", "function", "part"),
    [pytest.param(n, *row, id=f"{n}: {row[0]}") for n, rows in MISTAKES.items() for row in rows],
)
def test_a_mistake_is_named(name, mistake, function, part, moved):
    with moved_seeds(moved):
        verdict = CHECKS[name].verdict(function)
    assert verdict.state == WRONG, f"{mistake} passes"
    assert part in verdict.message, verdict.message


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_fails_or_returns_nothing_gets_a_sentence(name):
    def broken(*args, **kwargs):
        return {}["activation"]

    verdict = CHECKS[name].verdict(broken)
    assert verdict.state == WRONG and "KeyError" in verdict.message
    assert CHECKS[name].verdict(lambda *args, **kwargs: None).state == WRONG


ODD = {
    "a word": "text",
    "an empty tuple": (),
    "an empty dictionary": {},
    "a set": {1, 2},
    "an object": object(),
    "a complex number": 1j,
    "unequal tensors": (torch.zeros(2, 3), torch.zeros(4)),
    "three tensors": [torch.zeros(2), torch.zeros(2), torch.zeros(2)],
    "an empty tensor": torch.zeros(0),
    "NaN": torch.tensor(float("nan")),
    "too many axes": torch.zeros(1, 1, 1, 1, 1, 1),
    "words in a list": ["a", None],
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", CHECKS)
def test_an_odd_result_gets_a_sentence(name, odd):
    verdict = CHECKS[name].verdict(given(name, ODD[odd]))
    assert verdict.state == WRONG and len(verdict.message) > 20, verdict


def test_a_check_returns_the_function_to_go_on_with(monkeypatch, capsys):
    check = CHECKS["logit_lens"]
    monkeypatch.delenv("HEADS_TO_FEATURES_EXPECT", raising=False)
    assert check(lambda *_: None) is LIBRARY["logit_lens"]
    assert "logit_lens: wrong" in (said := capsys.readouterr().out)
    assert said.rstrip().endswith("The lesson goes on with the course's version.")
    own = run(SOLUTIONS["logit_lens"], "logit_lens")
    assert check(own) is own
    assert capsys.readouterr().out.rstrip().endswith("The lesson goes on with yours.")


def test_a_check_that_finds_something_else_than_expected_stops_a_test(monkeypatch):
    check, own = CHECKS["logit_lens"], run(SOLUTIONS["logit_lens"], "logit_lens")
    monkeypatch.setenv("HEADS_TO_FEATURES_EXPECT", "correct")
    with pytest.raises(Unsolved, match="logit_lens: wrong"):
        check(lambda *_: None)
    monkeypatch.setenv("HEADS_TO_FEATURES_EXPECT", "not attempted")
    with pytest.raises(Unsolved, match="logit_lens: correct"):
        check(own)


def test_a_verdict_reads_well_in_a_notebook_and_escapes_what_it_quotes():
    def sloppy(*args):
        raise ValueError("<b>1 & 2</b>")

    page = CHECKS["logit_lens"].verdict(sloppy)._repr_html_()
    assert "<b>1 & 2" not in page and "&lt;b&gt;1 &amp; 2" in page


def test_match_reports_shape_values_and_things_that_are_no_numbers():
    right = torch.ones(2, 3)
    for got, part in [
        (torch.ones(3, 2), "shape (2, 3), and has (3, 2)"),
        ([[1.0] * 3] * 2, "not a list of 2"),
        ({1.0}, "not a set of 1"),
        (torch.full((2, 3), float("nan")), "not finite"),
        (torch.tensor([[1.0, 1, 1], [1, 5, 1]]), "at [1, 1]"),
        ("text", "not a str"),
        (None, "None"),
    ]:
        with pytest.raises(Wrong) as caught:
            match(got, right, what="The scores", mistakes={})
        assert part in str(caught.value)


def test_a_claim_fails_when_the_measurement_moved():
    claim("loss", 2.64, text=2.6, within=0.1)
    for measured in (2.75, float("nan")):
        with pytest.raises(AssertionError, match="the text says 2.6"):
            claim("loss", measured, text=2.6, within=0.1)
