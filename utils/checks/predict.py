"""Predictions that count: answered before the result, and scored when it is there.

    predict("11.repeat", "What will the loss be?", choices=["about 3", "about 11"])
    ...
    outcome("11.repeat", "about 3")

Nothing waits for an answer: a lesson that is run to its end scores nothing.
"""

import html
import math
from collections.abc import Sequence

from utils.checks.progress import change, progress
from utils.views import Html, Live, show, widgets

LATE = "The result has been shown: an answer does not count any more."


def answer(key: str, given: str | float) -> str:
    """Commits to an answer, and returns what became of it, a sentence.

    It can be changed until the result is shown, and not after.
    """
    said = f"Committed: {given}. You may change it until the result is shown."

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
    said = _status(kept)
    if kept.get("shown"):
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
        field = ipywidgets.Text(value="" if before is None else str(before), placeholder="a number")
    button = ipywidgets.Button(description="Commit", tooltip="Commit to this prediction")
    status = ipywidgets.HTML(_as_status(said))

    def commit(_) -> None:
        status.value = _as_status(_typed(key, field.value, is_choice=bool(choices)))

    button.on_click(commit)
    head = ipywidgets.HTML(card("Predict", html.escape(question)))
    box = ipywidgets.VBox([head, field, button, status])
    box.add_class("htf-predict")
    show(Live(still, box))


def _typed(key: str, value: str | None, *, is_choice: bool) -> str:
    """What becomes of what a form holds, a sentence."""
    if is_choice:
        return "Choose one, then commit." if value is None else answer(key, value)
    try:
        number = float((value or "").replace(",", "."))
    except ValueError:
        number = math.nan
    return answer(key, number) if math.isfinite(number) else "Write a number, such as 1.5."


def _status(kept: dict) -> str:
    if kept.get("shown"):
        return "You did not answer before the result." if kept["answer"] is None else _verdict(kept)
    return f"Committed: {kept['answer']}." if "answer" in kept else ""


def _verdict(kept: dict) -> str:
    return f"You said {kept['answer']}: {'right' if kept['right'] else 'not what came out'}."


def outcome(
    key: str, right: str | float, *, within: float | None = None, factor: float | None = None
) -> None:
    """Scores the prediction against what came out, once: the first time that this is shown.

    Args:
        key: as in `predict`.
        right: the right choice, or the number that was measured.
        within: how far a number may be off.
        factor: by what factor a number may be off.

    Raises:
        ValueError: a number without exactly one of `within` and `factor`.
    """
    if not isinstance(right, str) and (within is None) == (factor is None):
        raise ValueError("Give a measured number either `within` or `factor`.")
    scored: dict = {"answer": None, "right": None}

    def score(kept: dict) -> None:
        mine = kept["predictions"].setdefault(key, {"answer": None})
        if not mine.get("shown"):
            good = _is_right(mine["answer"], right, within=within, factor=factor)
            mine |= {"shown": True, "right": good}
        scored.update(mine)

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
    given: str | float | None,
    right: str | float,
    *,
    within: float | None,
    factor: float | None,
) -> bool | None:
    if given is None:
        return None
    if isinstance(right, str) or isinstance(given, str):
        return given == right
    if within is not None:
        return abs(given - right) <= within
    return given * right > 0 and 1 / factor <= given / right <= factor


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
