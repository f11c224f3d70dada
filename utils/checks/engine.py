"""Checks of the exercises: one module a lesson, and what they share.

A check calls the learner's function on small inputs whose answers are planted or analytic, never
on a solution's output. It then says one of three things: not attempted, correct, or wrong and why,
and returns the function with which the lesson goes on.
"""

import functools
import html
import importlib
import inspect
import os
import re
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from utils.checks import inputs, progress
from utils.views import show

NOT_ATTEMPTED, CORRECT, WRONG = "not attempted", "correct", "wrong"


class Wrong(Exception):
    """Raised inside a check; its text tells the learner what is probably wrong."""


@dataclass(frozen=True)
class Verdict:
    """What a check found. It renders as a coloured box in a notebook and as one line of text.

    Attributes:
        goes_on: with whose function the lesson goes on, a sentence; empty where it uses none.
        is_own: whether that is the learner's.
    """

    exercise: str
    state: str
    message: str
    goes_on: str = ""
    is_own: bool = False

    def __str__(self) -> str:
        return f"{self.exercise}: {self.state}. {self.message} {self.goes_on}".rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # A ground of its own, so that light and dark themes show the same contrast.
        colour, mark = {
            CORRECT: ("#005A8C", "&#10003;"),
            WRONG: ("#A33B00", "&#10007;"),
            NOT_ATTEMPTED: ("#555555", "&#9675;"),
        }[self.state]
        return (
            f'<div role="status" style="border-left:.4em solid {colour};padding:.4em 1em;'
            f'background:#F7F7F7;color:#1A1A1A">'
            f'<b style="color:{colour}">{mark} {html.escape(self.exercise)}: {self.state}.</b> '
            f"{_rendered(self.message)} {_rendered(self.goes_on)}</div>"
        )


def _rendered(text: str) -> str:
    """Escaped, with what stands in backticks as code."""
    style = 'style="background:#E6E6E6;color:#1A1A1A"'
    return re.sub(r"`([^`]+)`", rf"<code {style}>\1</code>", html.escape(text))


class Unsolved(Exception):
    """In the tests a check that finds something else than expected stops the cell."""


def exercise(
    path: str, *, keeps_gradient: bool = True, course_only: bool = False, in_double: bool = False
) -> Callable:
    """Makes a check of a function that raises `Wrong`, and gives it the three states.

    The check shows its verdict and returns the function to go on with: the learner's where it is
    right, the course's otherwise. `check.verdict(function)` returns the verdict alone. In the
    tests HEADS_TO_FEATURES_EXPECT names a state; any other raises `Unsolved`.

    Whatever a check tries, the learner's function must leave its inputs and torch's settings as
    they were. Where an input asks for a gradient, the result must come from it; where inputs are
    float32, the result must not be float64. A crash, of the function or of the check on an odd
    result, becomes a verdict.

    Args:
        path: where the course's version is, such as "utils.heads.mean_ablate"; the
            exercise has its last name. A bare name where the course has none: its only solution
            stands in the lesson, which goes on without it. Nothing is imported from there to
            examine an answer.
        keeps_gradient: whether the result needs a gradient where an input asks for one.
        course_only: whether the lesson goes on with the course's version even after a right
            answer, since that one does more than is asked here.
        in_double: whether a result may be float64 where the inputs are not.
    """
    module, _, name = path.rpartition(".")
    theirs = "The lesson goes on with the course's version" if module else ""

    def wrap(examine: Callable[[Callable], str]) -> Callable:
        def verdict(learner: Callable) -> Verdict:
            course = theirs and f"{theirs}."
            guarded = _Guarded(learner, keeps_gradient=keeps_gradient, in_double=in_double)
            try:
                praise = examine(guarded.function)
            except _NotAttempted:
                message = "Fill in the function, then run this cell."
                return Verdict(name, NOT_ATTEMPTED, message, course)
            except Wrong as wrong:
                return Verdict(name, WRONG, str(wrong), course)
            except Exception as error:
                return Verdict(name, WRONG, guarded.unreadable(error), course)
            if course_only or not module:
                return Verdict(name, CORRECT, praise, theirs and f"{theirs}, which does more.")
            if (gpu := _gpu()) and not guarded.runs_on(gpu):
                why = ", since yours does not run on this GPU: make new tensors where the inputs "
                return Verdict(name, CORRECT, praise, f"{theirs}{why}are (`device=x.device`).")
            return Verdict(name, CORRECT, praise, "The lesson goes on with yours.", is_own=True)

        @functools.wraps(examine)
        def check(learner: Callable) -> Callable:
            version = getattr(importlib.import_module(module), name) if module else None
            if learner is version:  # this cell ran before, and bound the name to it
                again = "This is the course's version: run the cell of your function, then this."
                found = Verdict(name, NOT_ATTEMPTED, again)
            else:
                found = verdict(learner)
            _tell(found)
            return learner if found.is_own or not module else version

        check.verdict = verdict
        check.exercise, check.path = name, path
        return check

    return wrap


def investigation(name: str, *, course: tuple | list | set | dict) -> Callable:
    """Makes a check of an answer, which the learner found, from a function that raises `Wrong`.

    It has the three states of an exercise, and returns the answer to go on with, in the form of
    the course's own.

    Args:
        name: of the variable that holds the answer.
        course: the right answer. A container: a number cannot be told from the learner's own when
            the check runs again after a wrong answer.
    """

    def again() -> tuple | list | set | dict:
        return dict(course) if isinstance(course, dict) else type(course)(list(course))

    handed = again()

    def wrap(examine: Callable[[Any], str]) -> Callable:
        def verdict(answer: Any) -> Verdict:
            theirs = "The lesson goes on with the course's answer."
            if answer is ... or answer is handed:
                how = "Put your answer in the cell above, run that, then this one."
                return Verdict(name, NOT_ATTEMPTED, how, theirs)
            try:
                praise = examine(answer)
            except Wrong as wrong:
                return Verdict(name, WRONG, str(wrong), theirs)
            except Exception as error:
                got = inputs.described(answer)
                why = f"The check cannot use your answer, {got}: {_first_line(error)}."
                return Verdict(name, WRONG, f"{why} Give it in the form that is asked for.", theirs)
            return Verdict(name, CORRECT, praise, is_own=True)

        @functools.wraps(examine)
        def check(answer: Any) -> tuple | list | set | dict:
            found = verdict(answer)
            _tell(found)
            return again() if found.is_own else handed

        check.verdict = verdict
        check.exercise, check.path = name, ""
        return check

    return wrap


def _tell(found: Verdict) -> None:
    """Records and shows a verdict; in a test another state than expected stops the cell."""
    if found.state == CORRECT:
        progress.record(found.exercise)
    show(found)
    if os.environ.get("HEADS_TO_FEATURES_EXPECT", found.state) != found.state:
        raise Unsolved(str(found))


def _gpu() -> str | None:
    """Where the lesson's model is, if not on the CPU, on which checks run."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


class _NotAttempted(Exception):
    """The learner's function is as the blank has it."""


class _Guarded:
    """The learner's function as a check calls it, and what it returned last."""

    def __init__(self, learner: Callable, *, keeps_gradient: bool, in_double: bool):
        self.learner, self.keeps_gradient, self.in_double = learner, keeps_gradient, in_double
        self.returned: list[Any] = []
        self.given: tuple[tuple, dict] = ((), {})
        self.function = functools.wraps(learner)(lambda *args, **kwargs: self._call(args, kwargs))

    def _call(self, args: tuple, kwargs: dict):
        given = self._named(args, kwargs)
        before = {key: inputs.state(value) for key, value in given.items()}
        with_gradient, drawn = torch.is_grad_enabled(), torch.get_rng_state()
        try:
            result = self.learner(*args, **kwargs)
        except (_NotAttempted, Wrong):
            raise
        except Exception as error:
            if isinstance(error, NotImplementedError) and _is_own(error, self.learner):
                raise _NotAttempted from None
            raise Wrong(_explain(error, _last_line(error, self.learner))) from error
        finally:
            left_with_gradient = torch.is_grad_enabled()
            torch.set_grad_enabled(with_gradient)
        if result is Ellipsis:
            raise _NotAttempted
        for key, was in before.items():
            now = inputs.state(given[key])
            expect(
                inputs.same(was, now),
                f"Your function changes its input `{key}` itself, which others still need: "
                f"{inputs.remedy(given[key], was, now)}.",
            )
        expect(
            left_with_gradient == with_gradient,
            "Your function switches gradients on or off for all that follows: use "
            "`with torch.no_grad():`.",
        )
        expect(
            not any(isinstance(each, torch.Generator) for each in given.values())
            or torch.equal(drawn, torch.get_rng_state()),
            "Your function draws from, or sets, torch's *global* generator, which all other code "
            "shares: hand `generator` to every random function.",
        )
        asked, got = inputs.tensors(list(given.values())), inputs.tensors([result])
        self._expect_gradient([each for each in asked if each.requires_grad], got)
        kinds = {each.dtype for each in asked if each.is_floating_point()}
        expect(
            self.in_double
            or kinds != {torch.float32}
            or not any(each.ndim and each.dtype == torch.float64 for each in got),
            "The result is in float64, and a model computes in float32: stay in torch, or end "
            "with `.float()`.",
        )
        self.returned, self.given = [result], (args, kwargs)
        return result

    def runs_on(self, device: str) -> bool:
        """Whether the last call runs on another device; with a model among its inputs, surely."""
        if any(isinstance(each, torch.nn.Module) for each in self.given[0]):
            return True
        args, kwargs = inputs.moved(self.given, device)
        try:
            self.learner(*args, **kwargs)
        except Exception:
            return False
        return True

    def _expect_gradient(self, asking: list[Tensor], got: list[Tensor]) -> None:
        if not (asking and self.keeps_gradient and torch.is_grad_enabled()):
            return
        # A new tensor that only asks for a gradient has none to give.
        comes = [e.grad_fn is not None or any(e is one for one in asking) for e in got]
        expect(
            any(comes),
            "What your function returns has no gradient, and the lesson takes one through it: "
            "no `.item()`, `.detach()`, `torch.tensor(...)` or `torch.no_grad()` on the way.",
        )

    def _named(self, args: tuple, kwargs: dict) -> dict[str, Any]:
        """Parameter -> what the check gives for it."""
        try:
            return dict(inspect.signature(self.learner).bind(*args, **kwargs).arguments)
        except (TypeError, ValueError):  # the call itself will say what does not fit
            return {f"argument {i + 1}": value for i, value in enumerate(args)} | kwargs

    def unreadable(self, error: Exception) -> str:
        """A sentence about a result that the check itself could not handle."""
        if not self.returned:
            return _explain(error, "")
        got = inputs.described(*self.returned)
        return (
            f"The check cannot use what your function returned, {got}: {_first_line(error)}. "
            "Compare it with what the docstring promises."
        )


def _code(learner: Callable) -> types.CodeType | None:
    return getattr(inspect.unwrap(learner), "__code__", None)


def _is_own(error: Exception, learner: Callable) -> bool:
    """Whether the learner's function itself raised this, and nothing that it calls."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code is _code(learner)


def _last_line(error: Exception, learner: Callable) -> str:
    """The learner's own line that failed, as they wrote it; empty if it is not known."""
    code = _code(learner)
    lines = [
        frame.line
        for frame in traceback.extract_tb(error.__traceback__)
        if code is not None and frame.filename == code.co_filename and frame.line
    ]
    return lines[-1] if lines else ""


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else "no message"


def _explain(error: Exception, where: str) -> str:
    text = _first_line(error)
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
    place = f" at `{where.replace('`', '')}`" if where else ""
    return f"Your function raised {type(error).__name__}{place}: {text}. {hint}"


def expect(condition: bool, message: str) -> None:
    """Raises `Wrong(message)` unless the condition holds."""
    if not condition:
        raise Wrong(message)


def trains(got: Tensor, *weights: Tensor) -> None:
    """Raises `Wrong` unless a gradient of each weight reaches it from the result."""
    slopes = torch.autograd.grad(got.sum(), weights, allow_unused=True)
    expect(
        all(slope is not None and bool(slope.any()) for slope in slopes),
        "The numbers are right, but gradients do not reach what is trained: no `.detach()`, and "
        "no `torch.tensor(...)` around the result, even with `requires_grad=True`.",
    )


def match(got: Any, right: Any, *, what: str, mistakes: Mapping[str, Any]) -> None:
    """Holds a result against the planted answer, and recognises the planted mistakes.

    Args:
        got: what the learner's function returned. A number will do for a tensor without axes, and
            a list where `right` is one.
        right: the planted answer, a tensor or what can be made one.
        what: what the result is, for the message: "the scores".
        mistakes: message -> the answer that this mistake would give, of any shape.

    Raises:
        Wrong: with the matching mistake's message, or with what differs first.
    """
    expect(got is not None, f"{what} came back as None: does every path of the function `return`?")
    kind = f"{what} should be {inputs.described(right)}, not {inputs.described(got)}."
    expect(not (isinstance(right, Tensor) and right.ndim and not isinstance(got, Tensor)), kind)
    try:
        got = torch.as_tensor(got).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(kind) from None
    if got.dtype.is_complex:
        raise Wrong(f"{what} should be real, not complex.")
    half = got.dtype in (torch.float16, torch.bfloat16)
    expect(not half, f"{what} came back in half precision: work in float32.")
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
