"""The answer key: solutions and the library's versions pass, and mistakes are named."""

import importlib

import jupytext
import pytest
import torch

from utils import progress
from utils.checks import CORRECT, NOT_ATTEMPTED, WRONG, Unsolved, Wrong, claim, match
from utils.course import LESSONS, ROOT, SOLUTIONS


def answers(what: str) -> dict:
    """LIBRARY (exercise -> the library's version) or MISTAKES of all lessons' `tests/answers`.

    MISTAKES: exercise -> [(the mistake, the function, part of the message that names it)].
    """
    found = {}
    for lesson in progress.EXERCISES:
        found |= getattr(importlib.import_module(f"tests.answers.lesson_{lesson}"), what)
    return found


def checks() -> dict:
    """Exercise -> its check, over all lessons."""
    found = {}
    for lesson in progress.EXERCISES:
        module = importlib.import_module(f"utils.checks.lesson_{lesson}")
        for value in vars(module).values():
            if hasattr(value, "exercise") and hasattr(value, "verdict"):
                found[value.exercise] = value
    return found


def solutions() -> dict:
    """Exercise -> the solution that stands in the lesson's source."""
    found = {}
    for lesson in LESSONS:
        if lesson.is_written:
            for cell in jupytext.read(ROOT / SOLUTIONS / f"{lesson.stem}.py").cells:
                if "### BEGIN SOLUTION" in cell.source:
                    scope = {"torch": torch}
                    exec(cell.source, scope)
                    found |= {k: v for k, v in scope.items() if k in LIBRARY}
    return found


LIBRARY, MISTAKES = answers("LIBRARY"), answers("MISTAKES")
CHECKS, SOLVED = checks(), solutions()


def test_every_exercise_has_a_check_a_solution_and_wrong_answers():
    names = {name for lesson in progress.EXERCISES.values() for name in lesson}
    assert set(CHECKS) == set(SOLVED) == set(LIBRARY) == set(MISTAKES) == names
    assert len(names) >= 7
    assert all(len(wrong) >= 3 for wrong in MISTAKES.values())


@pytest.mark.parametrize("name", CHECKS)
def test_the_solution_passes(name):
    verdict = CHECKS[name].verdict(SOLVED[name])
    assert verdict.state == CORRECT, verdict


@pytest.mark.parametrize("name", CHECKS)
def test_the_library_version_passes(name):
    verdict = CHECKS[name].verdict(LIBRARY[name])
    assert verdict.state == CORRECT, verdict


@pytest.mark.parametrize("name", CHECKS)
def test_a_blank_is_not_attempted(name):
    def blank(*args, **kwargs):
        raise NotImplementedError

    assert CHECKS[name].verdict(blank).state == NOT_ATTEMPTED
    assert CHECKS[name].verdict(lambda *args, **kwargs: ...).state == NOT_ATTEMPTED


@pytest.mark.parametrize(
    ("name", "mistake", "function", "part"),
    [pytest.param(n, *row, id=f"{n}: {row[0]}") for n, rows in MISTAKES.items() for row in rows],
)
def test_a_mistake_is_named(name, mistake, function, part):
    verdict = CHECKS[name].verdict(function)
    assert verdict.state == WRONG, f"{mistake} passes"
    assert part in verdict.message, verdict.message


@pytest.mark.parametrize("name", CHECKS)
def test_a_function_that_fails_or_returns_nothing_gets_a_sentence(name):
    def broken(*args, **kwargs):
        return {}["activation"]

    verdict = CHECKS[name].verdict(broken)
    assert verdict.state == WRONG and "KeyError" in verdict.message
    assert CHECKS[name].verdict(lambda *args, **kwargs: None).state == WRONG


def test_a_check_goes_on_for_a_learner_and_stops_a_test(monkeypatch, capsys):
    check = CHECKS["logit_lens"]
    monkeypatch.delenv("HEADS_TO_FEATURES_STRICT", raising=False)
    assert check(lambda *_: None) is None
    assert "logit_lens: wrong" in capsys.readouterr().out
    monkeypatch.setenv("HEADS_TO_FEATURES_STRICT", "1")
    with pytest.raises(Unsolved, match="logit_lens: wrong"):
        check(lambda *_: None)


def test_a_verdict_reads_well_in_a_notebook_and_escapes_what_it_quotes():
    def sloppy(*args):
        raise ValueError("<b>1 & 2</b>")

    page = CHECKS["logit_lens"].verdict(sloppy)._repr_html_()
    assert "<b>1 & 2" not in page and "&lt;b&gt;1 &amp; 2" in page


def test_match_reports_shape_values_and_things_that_are_no_numbers():
    right = torch.ones(2, 3)
    for got, part in [
        (torch.ones(3, 2), "shape (2, 3), and has (3, 2)"),
        (torch.full((2, 3), float("nan")), "not finite"),
        (torch.tensor([[1.0, 1, 1], [1, 5, 1]]), "at [1, 1]"),
        ("text", "not str"),
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
