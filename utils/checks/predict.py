"""Predictions that count: answered before the result, and scored when it is there.

    predict("11.repeat", "What will the loss be?", choices=["about 3", "about 11"])
    ...
    outcome("11.repeat", "about 3")

Nothing waits for an answer: a lesson that is run to its end scores nothing.
"""

import html
import math
from collections.abc import Sequence
from typing import SupportsFloat

from utils.checks.progress import change, in_solution, progress
from utils.views import Html, Live, show, widgets

LATE = "The result has been shown: an answer does not count any more."
SOLVED = "This is the solved lesson, which keeps no answers."

# What this kernel knows: the choices of each question (none where it asks for a number), and whose
# results were shown without an answer. Neither is kept, so that a later kernel can still answer.
_asked: dict[str, tuple[str, ...]] = {}
_unanswered: set[str] = set()


def answer(key: str, given: str | SupportsFloat | None) -> str:
    """Commits to an answer, and returns what became of it, a sentence.

    It can be changed until the result is shown, and not after.

    Args:
        key: as in `predict`.
        given: one of the choices, or a number, which may be typed with a comma.
    """
    if key in _unanswered:
        return LATE
    if in_solution():
        return SOLVED
    choices = _asked.get(key, ())
    if choices and not (isinstance(given, str) and given in choices):
        return f"Choose one of these, then commit: {', '.join(choices)}."
    if not choices and (key in _asked or not isinstance(given, str)):
        try:
            given = float(given.replace(",", ".") if isinstance(given, str) else given)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            given = math.nan
        if not math.isfinite(given):
            return "Write a number, such as 1.5."
    said = f"Committed: {_plain(given)}. You may change it until the result is shown."

    def commit(kept: dict) -> None:
        nonlocal said
        if kept["predictions"].get(key, {}).get("shown"):
            said = LATE
        else:
            kept["predictions"][key] = {"answer": given}

    return said if change(commit) else "Your answer could not be saved."


def predict(key: str, question: str, *, choices: Sequence[str] | None = None) -> None:
    """Asks a question before its result: a choice, or a number where there are no choices.

    Args:
        key: the lesson's number and a name, such as "11.repeat".
        question: in plain text.
    """
    kept = progress()["predictions"].get(key, {})
    said = _status(key, kept)
    _asked[key] = tuple(choices or ())
    if kept.get("shown") or key in _unanswered:
        show(Html(card("Predict", _lines(question, said)), f"Predict: {question}\n{said}"))
        return
    example = f"answer({key!r}, {choices[0] if choices else 1.5!r})"
    how = f"To answer: `from utils.checks.predict import answer; {example}`."
    text = "\n".join([f"Predict: {question}", *(f"- {c}" for c in choices or []), how, said])
    items = "".join(f"<li>{html.escape(choice)}</li>" for choice in choices or [])
    below = f"<ul>{items}</ul>" if choices else ""
    still = Html(card("Predict", html.escape(question) + below), text.strip())
    ipywidgets = widgets()
    if ipywidgets is None:
        show(still)
        return
    # No description: that of radio buttons would take a third of the width.
    wide = {"layout": ipywidgets.Layout(width="max-content")}
    before = kept.get("answer")
    if choices:
        chosen = before if before in choices else None
        field = ipywidgets.RadioButtons(options=list(choices), value=chosen, **wide)
    else:
        field = ipywidgets.Text(value=_plain(before), placeholder="a number")
    button = ipywidgets.Button(description="Commit", tooltip="Commit to this prediction")
    status = ipywidgets.HTML(_as_status(said))

    def commit(_) -> None:
        status.value = _as_status(answer(key, field.value))

    button.on_click(commit)
    head = ipywidgets.HTML(card("Predict", html.escape(question)))
    box = ipywidgets.VBox([head, field, button, status])
    box.add_class("htf-predict")
    show(Live(still, box))


def _plain(given: str | float | None) -> str:
    """An answer as it was typed; nothing where there is none."""
    return f"{given:.7g}" if isinstance(given, float | int) else given or ""


def _status(key: str, kept: dict) -> str:
    if kept.get("shown"):
        return _verdict(kept)
    if key in _unanswered:
        return "You did not answer before the result."
    return f"Committed: {_plain(kept['answer'])}." if kept else ""


def _verdict(kept: dict) -> str:
    return (
        f"You said {_plain(kept['answer'])}: {'right' if kept['right'] else 'not what came out'}."
    )


def outcome(
    key: str,
    right: str | SupportsFloat,
    *,
    within: float | None = None,
    factor: float | None = None,
) -> None:
    """Scores the prediction against what came out, once: the first time that this is shown.

    Where there is no answer, none counts any more in this kernel, and nothing is kept.

    Args:
        key: as in `predict`.
        right: the right choice, or the number that was measured.
        within: how far a number may be off.
        factor: by what factor a number may be off.

    Raises:
        ValueError: a number without exactly one of `within` and `factor`, or 0 with `factor`.
    """
    right = right if isinstance(right, str) else float(right)
    if not isinstance(right, str) and (within is None) == (factor is None):
        raise ValueError("Give a measured number either `within` or `factor`.")
    if right == 0 and factor is not None:
        raise ValueError("No number lies within a factor of a measured 0: give `within` instead.")
    scored: dict = {"answer": None, "right": None}

    def score(kept: dict) -> None:
        mine = kept["predictions"].get(key)
        if mine and not mine.get("shown"):
            good = _is_right(mine["answer"], right, within=within, factor=factor)
            mine |= {"shown": True, "right": good}
        scored.update(mine or {})

    score(progress())
    if scored["answer"] is None:
        _unanswered.add(key)
    elif not in_solution():
        change(score)
    came = right if isinstance(right, str) else f"{right:.3g}"
    said = "No prediction was made." if scored["answer"] is None else _verdict(scored)
    mark = {True: "&#10003; ", False: "&#10007; ", None: ""}[scored["right"]]
    show(
        Html(
            card("Outcome", f"{html.escape(came)}. {mark}{html.escape(said)}", role="status"),
            f"Outcome: {came}. {said}",
        )
    )


def _is_right(
    given: str | float,
    right: str | float,
    *,
    within: float | None,
    factor: float | None,
) -> bool:
    if isinstance(right, str) or isinstance(given, str):
        return given == right
    if within is not None:
        return bool(abs(given - right) <= within)
    return bool(given * right > 0 and 1 / factor <= given / right <= factor)


def card(title: str, inner: str, *, role: str = "group") -> str:
    """HTML of a box with a ground of its own, which light and dark themes show alike."""
    style = (
        "border-left:.4em solid #8A4B76;padding:.4em 1em;background:#F7F7F7;color:#1A1A1A;"
        "max-width:720px"
    )
    return f'<div role="{role}" style="{style}"><b style="color:#7A3B66">{title}.</b> {inner}</div>'


def _lines(*parts: str) -> str:
    return "<br>".join(html.escape(part) for part in parts)


def _as_status(text: str) -> str:
    return f'<div role="status">{html.escape(text)}</div>'
