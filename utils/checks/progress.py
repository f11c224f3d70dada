"""The learner's progress: exercises solved and predictions made, kept in one small file."""

import contextlib
import functools
import hashlib
import html
import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

from utils.lesson import ROOT, on_colab, shown
from utils.views import Html, show

Progress = dict[str, Any]  # {"done": [names], "predictions": {key: {"answer", "shown", "right"}}}
# Some network file systems cannot lock, and the lock then says that this is not implemented.
UNSAVED = (OSError, NotImplementedError)


@functools.cache
def exercises() -> dict[str, tuple[str, ...]]:
    """Lesson ("11") -> the names of its exercises, in order, as `utils/checks` declares them.

    Read from the files, without importing them: the strip of one lesson needs no other's checks.
    """
    files = sorted((ROOT / "utils" / "checks").glob("lesson_*.py"))
    declared = re.compile(r'^@(?:exercise|investigation)\(\s*"(?:[\w.]+\.)?(\w+)"', re.M)
    return {f.stem[-2:]: tuple(declared.findall(f.read_text(encoding="utf-8"))) for f in files}


# ---- The file -----------------------------------------------------------------------------------


def progress_file() -> Path:
    """Where your progress is kept (`HEADS_TO_FEATURES_DATA` names another folder)."""
    folder = os.environ.get("HEADS_TO_FEATURES_DATA") or platformdirs.user_data_dir(
        "heads-to-features", appauthor=False
    )
    return Path(folder) / "progress.json"


def _empty() -> Progress:
    return {"done": [], "predictions": {}}


def _parsed(path: Path) -> Progress:
    """What a file holds; ValueError where that is no progress, OSError where it cannot be read.

    A prediction that is none is left out, and so is one without an answer.
    """
    try:
        found = _empty() | json.loads(path.read_bytes())
        names, predictions = found["done"], found["predictions"].items()
    except (TypeError, AttributeError) as error:
        raise ValueError("not a progress file") from error
    if not (isinstance(names, list) and all(isinstance(n, str) for n in names)):
        raise ValueError("not a progress file")
    return found | {"predictions": {key: each for key, each in predictions if _is_answered(each)}}


def _is_answered(prediction: Any) -> bool:
    """Whether this is a prediction with an answer, scored if its result was shown."""
    if not isinstance(prediction, dict):
        return False
    given, right = prediction.get("answer"), prediction.get("right")
    is_number = type(given) in (int, float) and abs(given) <= sys.float_info.max
    was_shown = prediction.get("shown") or False
    return (isinstance(given, str) or is_number) and (
        isinstance(right, bool) if was_shown is True else was_shown is False and right is None
    )


def free(path: Path) -> Path:
    """`path`, or the first of `name-1`, `name-2`, ... that is not there yet."""
    paths = (path.with_stem(f"{path.stem}-{n}") for n in range(1, 10_000))
    return path if not path.exists() else next(p for p in paths if not p.exists())


def _kept() -> Progress:
    """What the file holds, under the lock. A damaged file is set aside, under a new name."""
    path = progress_file()
    try:
        return _parsed(path)
    except FileNotFoundError:
        return _empty()
    except ValueError:
        aside = free(path.with_name("progress.damaged.json"))
        path.rename(aside)
        print(f"Your progress file could not be read; it is kept as {aside}, and a new one begins.")
        return _empty()


def _lock() -> FileLock:
    return FileLock(progress_file().with_suffix(".lock"), timeout=5)


def progress() -> Progress:
    """Your progress so far. What cannot be read counts as none, and is never overwritten."""
    try:
        return _parsed(progress_file())
    except FileNotFoundError:
        return _empty()
    except (OSError, ValueError):
        pass
    try:
        with _lock():
            return _kept()
    except UNSAVED as error:
        print(f"Your progress in {progress_file()} cannot be read, and is left as it is ({error}).")
        return _empty()


def part_of(path: Path) -> Path:
    """Where this process writes what becomes `path` once it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _put(path: Path, text: str) -> None:
    """Writes a file, all or nothing."""
    part = part_of(path)
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def change(edit: Callable[[Progress], None]) -> bool:
    """Changes the file, and says whether it could. A read-only folder never costs the lesson."""
    path = progress_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock():
            kept = _kept()
            edit(kept)
            _put(path, json.dumps(kept, indent=1))
    except UNSAVED as error:
        print(
            f"Your progress could not be saved in {path.parent}, and the lesson goes on ({error})."
        )
        return False
    write_map()
    return True


def done() -> set[str]:
    """Names of the exercises solved so far, in any lesson."""
    return set(progress()["done"])


def in_solution() -> bool:
    """Whether this is a solved lesson, run where it lies: what it solves is not the learner's."""
    try:
        return Path.cwd().resolve() == ROOT / "solutions"
    except OSError:  # the folder is gone
        return False


def record(*names: str) -> None:
    """Adds exercises to those solved, unless a solved lesson solves them."""
    if not in_solution():
        change(lambda kept: kept.update(done=sorted({*kept["done"], *names})))


def export_progress(path: str = "heads-to-features-progress.json") -> Path:
    """Writes your progress into a small file, and on Colab downloads it.

    Where there is such a file already, it gets a number and overwrites none.
    """
    target = free(Path(path))
    target.write_text(json.dumps(progress(), indent=1), encoding="utf-8")
    print(f"Your progress is in {target.resolve()}; `import_progress` reads it elsewhere.")
    if on_colab():
        importlib.import_module("google.colab.files").download(str(target))
    return target


def import_progress(path: str) -> None:
    """Adds what `export_progress` wrote; nothing that is here already is lost.

    Raises:
        ValueError: the file is not one that `export_progress` wrote.
    """
    try:
        given = _parsed(Path(path))
    except (OSError, ValueError):
        raise ValueError(f"{path} is no file that `export_progress` wrote.") from None

    def merge(kept: Progress) -> None:
        kept["done"] = sorted({*kept["done"], *given["done"]})
        for key, each in given["predictions"].items():
            mine = kept["predictions"].get(key, each)  # once it was scored, it stands
            kept["predictions"][key] = mine if mine.get("shown") or not each.get("shown") else each

    if change(merge):
        print(f"{len(done())} exercises are solved.")


# ---- What it shows ------------------------------------------------------------------------------


def write_map() -> None:
    """Makes `work/README.md`, the map over the learner's copies, if there are any.

    Its last column says how many of a lesson's exercises are solved. A map into which the learner
    wrote is left alone.
    """
    folder, solved = ROOT / "work", done_of(done())
    if not folder.is_dir():
        return
    row = r"(\]\((\d\d)_\w+\.ipynb\).*\| )\d+ \|$"
    with contextlib.suppress(OSError):  # a map that is not up to date costs nobody anything
        text = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
        text = text.replace("| exercises |", "| done |").replace("\n\n|", f"\n\n{COPIES}\n\n|", 1)
        text = re.sub(row, lambda found: f"{found[1]}{solved(found[2])} |", text, flags=re.M)
        target = folder / "README.md"
        if not target.exists() or _is_generated(target.read_text("utf-8", errors="replace")):
            _put(target, _marked(text))


def _marked(text: str) -> str:
    """The map below a line, unseen where it is rendered, that tells whether it is as generated."""
    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"<!-- Kept up to date until you write into it ({mark}). -->\n\n{text}"


def _is_generated(text: str) -> bool:
    return text == _marked(text.partition("\n\n")[2])


COPIES = (
    "These are your own copies: an update of the course leaves them alone, and so does git. "
    "`make reset N=11` sets your copy of lesson 1.1 aside and makes a new one."
)


def done_of(solved: set[str]) -> Callable[[str], str]:
    """From a lesson's number to how many of its exercises are in `solved`: "3/7"."""
    return lambda lesson: f"{len(solved & {*exercises()[lesson]})}/{len(exercises()[lesson])}"


def show_progress(lesson: str) -> None:
    """Shows which exercises of this lesson, and how many of the course, are done.

    And how many predictions were right, of those made before the result was shown.

    Args:
        lesson: two digits, such as "11".

    Raises:
        ValueError: no lesson of that number has exercises.
    """
    if lesson not in exercises():
        raise ValueError(f"No lesson {lesson!r} has exercises; there are {', '.join(exercises())}.")
    kept = progress()
    solved, names = {*kept["done"]}, exercises()[lesson]
    course = [name for names in exercises().values() for name in names]
    n_done = sum(name in solved for name in course)
    own = {k: each for k, each in kept["predictions"].items() if k.partition(".")[0] == lesson}
    lines = [f"Course: {n_done} of {len(course)} exercises"]
    if said := _score(own.values()):
        lines.append(
            f"Predictions: {said} here, {_score(kept['predictions'].values())} in the course"
        )
    if in_solution():
        lines.append("This is the solved lesson: what it solves does not count as yours")
    if on_colab():
        lines.append(
            "This machine does not last: File > Save a copy in Drive keeps your notebook, and "
            "export_progress() and import_progress() of utils.checks.progress your progress"
        )
    marks = "  ".join(f"[{'x' if name in solved else ' '}] {name}" for name in names)
    title = f"Lesson {shown(lesson)}"
    pills = "".join(pill(name, name in solved) for name in names)
    below = "".join(f"<div>{html.escape(line)}.</div>" for line in lines)
    code = f'<div class="htf-progress"><b>{title}</b> {pills}{below}</div>'
    show(Html(code, "\n".join([f"{title}: {marks}", *lines])))


def _score(predictions: Iterable[dict]) -> str:
    """ "2 of 3 right" of the predictions that were scored; empty if there is none."""
    scored = [each["right"] for each in predictions if each.get("right") is not None]
    return f"{sum(scored)} of {len(scored)} right" if scored else ""


def pill(name: str, is_done: bool) -> str:
    """An exercise's name in the strip."""
    # Mark and border differ as well as colour, so that no one needs to tell the colours apart.
    mark, style = (
        ("&#10003;", "background:#0072B2;color:white;border:2px solid #0072B2")
        if is_done
        else ("&#9675;", "background:white;color:#444;border:2px dashed #767676")
    )
    return (
        f'<span style="{style};border-radius:1em;padding:.1em .7em;margin:.2em;'
        f'display:inline-block;line-height:1.6">{mark} {html.escape(name)}</span>'
    )
