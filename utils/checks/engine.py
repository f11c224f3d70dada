"""Checks of the exercises: one module a lesson, and what they share.

A check calls the learner's function on small inputs whose answers are planted or analytic, never
on a solution's output. It then says one of three things: not attempted, correct, or wrong and why.
"""

import functools
import html
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from utils import lesson

NOT_ATTEMPTED, CORRECT, WRONG = "not attempted", "correct", "wrong"


class Wrong(Exception):
    """Raised inside a check; its text tells the learner what is probably wrong."""


@dataclass(frozen=True)
class Verdict:
    """What a check found. It renders as a coloured box in a notebook and as one line of text."""

    exercise: str
    state: str
    message: str

    def __str__(self) -> str:
        return f"{self.exercise}: {self.state}. {self.message}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour, mark = {
            CORRECT: ("#0072B2", "&#10003;"),
            WRONG: ("#D55E00", "&#10007;"),
            NOT_ATTEMPTED: ("#777777", "&#9675;"),
        }[self.state]
        return (
            f'<div role="status" style="border-left:.4em solid {colour};padding:.4em 1em;">'
            f'<b style="color:{colour}">{mark} {html.escape(self.exercise)}: {self.state}.</b> '
            f"{html.escape(self.message)}</div>"
        )


class Unsolved(Exception):
    """In the tests a check that is not passed must stop the cell; a learner's Run All goes on."""


def exercise(path: str) -> Callable:
    """Makes a check of a function that raises `Wrong`, and gives it the three states.

    The check shows its verdict and returns None; `check.verdict(function)` returns the verdict.
    With HEADS_TO_FEATURES_STRICT=1 in the environment, as in the tests, anything but *correct*
    raises `Unsolved`.

    Args:
        path: where the course's version is, such as "utils.heads.mean_ablate"; the
            exercise has its last name. A bare name where the course has none: its only solution
            stands in the lesson. Nothing is imported from there to examine an answer.
    """
    name = path.rpartition(".")[2]

    def wrap(examine: Callable[[Callable], str]) -> Callable:
        def verdict(learner: Callable) -> Verdict:
            try:
                praise = examine(_guarded(learner))
            except NotImplementedError:
                return Verdict(name, NOT_ATTEMPTED, "Fill in the function, then run this cell.")
            except Wrong as wrong:
                return Verdict(name, WRONG, str(wrong))
            return Verdict(name, CORRECT, praise)

        @functools.wraps(examine)
        def check(learner: Callable) -> None:
            found = verdict(learner)
            if found.state == CORRECT:
                lesson.record(name)
            _show(found)
            if found.state != CORRECT and os.environ.get("HEADS_TO_FEATURES_STRICT") == "1":
                raise Unsolved(str(found))

        check.verdict = verdict
        check.exercise, check.path = name, path
        return check

    return wrap


def _guarded(learner: Callable) -> Callable:
    """The learner's function, whose own errors become verdicts that quote them."""

    @functools.wraps(learner)
    def call(*args, **kwargs):
        try:
            result = learner(*args, **kwargs)
        except (NotImplementedError, Wrong):
            raise
        except Exception as error:
            raise Wrong(_explain(error)) from error
        if result is Ellipsis:
            raise NotImplementedError
        return result

    return call


def _explain(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else "no message"
    hints = {
        "shapes cannot be multiplied": "Is a matrix transposed, or are two in the wrong order?",
        "size of tensor": "Compare the shapes with the docstring's, axis by axis.",
        "out of bounds": "Is an index one too far, or was it counted over all axes at once?",
        "unexpected keyword": "Keep the function's name and arguments as they were given.",
    }
    hint = next(
        (hint for part, hint in hints.items() if part in text),
        "Try it on a small example of your own.",
    )
    return f"Your function raised {type(error).__name__}: {text}. {hint}"


def _show(verdict: Verdict) -> None:
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(verdict)
        return
    if get_ipython() is None:
        print(verdict)
    else:
        display(verdict)


def expect(condition: bool, message: str) -> None:
    """Raises `Wrong(message)` unless the condition holds."""
    if not condition:
        raise Wrong(message)


def match(got: Any, right: Any, *, what: str, mistakes: Mapping[str, Any]) -> None:
    """Holds a result against the planted answer, and recognises the planted mistakes.

    Args:
        got: what the learner's function returned; numbers and lists are turned into tensors.
        right: the planted answer, a tensor or what can be made one.
        what: what the result is, for the message: "the scores".
        mistakes: message -> the answer that this mistake would give, of any shape.

    Raises:
        Wrong: with the matching mistake's message, or with what differs first.
    """
    expect(got is not None, f"{what} came back as None: does every path of the function `return`?")
    try:
        got = torch.as_tensor(got).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{what} should be a tensor or a number, not {type(got).__name__}.") from None
    if got.dtype.is_complex:
        raise Wrong(f"{what} should be real, not complex.")
    got, right = got.double(), torch.as_tensor(right).double()
    if _same(got, right):
        return
    for message, value in mistakes.items():
        if _same(got, torch.as_tensor(value).double()):
            raise Wrong(message)
    expect(
        got.shape == right.shape,
        f"{what} should have shape {_size(right)}, and has {_size(got)}.",
    )
    expect(
        bool(got.isfinite().all()),
        f"{what} holds values that are not finite: is something divided by zero, or the log of 0?",
    )
    where = tuple(((got - right).abs() > 1e-4).nonzero()[0].tolist()) if right.ndim else ()
    place, advice = (f" at {list(where)}", "that one entry") if where else ("", "a small case")
    raise Wrong(
        f"{what} should be {right[where].item():.4g}{place} on the check's small example, and is "
        f"{got[where].item():.4g}. Work {advice} out by hand."
    )


def _same(got: Tensor, right: Tensor) -> bool:
    return got.shape == right.shape and torch.allclose(got, right, atol=1e-4, rtol=1e-4)


def _size(tensor: Tensor) -> str:
    return str(tuple(tensor.shape)) if tensor.ndim else "() (a single number)"
