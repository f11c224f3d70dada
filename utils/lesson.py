"""What every lesson calls: set-up, the strip of progress, and numbers held against the text."""

import functools
import html
import importlib
import importlib.metadata
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import tomllib
import warnings
from pathlib import Path

import platformdirs
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]


def shown(lesson: str) -> str:
    """A lesson's number as readers see it: "00", and "1.1" for lesson 11, the first of part 1."""
    return lesson if lesson == "00" else f"{lesson[0]}.{lesson[1]}"


def begin(seed: int = 0) -> None:
    """Makes a fresh kernel ready for a lesson; safe to call twice.

    Installs what is missing (a hosted notebook starts without TransformerLens) and leaves every
    installed package at its version, sets the random seeds, and keeps library chatter away.

    Raises:
        RuntimeError: a package is missing and cannot be installed beside what is there.
    """
    installed = _install_missing()
    warnings.filterwarnings("ignore", category=FutureWarning)
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if installed:
        print(f"Installed {', '.join(installed)}.")
    print(f"Ready: seed {seed}, torch {torch.__version__}, {len(_dependencies())} packages found.")


def _dependencies() -> list[str]:
    """The course's requirements, without JupyterLab: this code already runs in some notebook."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [line for line in project["dependencies"] if not line.startswith("jupyterlab")]


def _missing() -> list[str]:
    names = {line: re.match(r"[\w.-]+", line).group() for line in _dependencies()}
    return [line for line, name in names.items() if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _install_missing() -> list[str]:
    missing = _missing()
    if not missing:
        return []
    # Hold every installed package where it is: a hosted notebook has loaded some of them already.
    held = sorted(
        {f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()}
    )
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "installed.txt"
        constraints.write_text("\n".join(held), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(constraints)]
        done = subprocess.run([*command, *missing], capture_output=True, text=True)
    if done.returncode:
        reason = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise RuntimeError(
            f"Could not install {', '.join(missing)}; check the network, restart the kernel and "
            f"run this cell again. What pip said:\n{reason}"
        )
    importlib.invalidate_caches()
    return missing


# ---- Progress -----------------------------------------------------------------------------------


@functools.cache
def exercises() -> dict[str, tuple[str, ...]]:
    """Lesson ("11") -> the names of its exercises, in order, as `utils/checks` declares them.

    Read from the files, without importing them: the strip of one lesson needs no other's checks.
    """
    files = sorted((ROOT / "utils" / "checks").glob("lesson_*.py"))
    declared = re.compile(r'^@exercise\("(?:[\w.]+\.)?(\w+)"', re.M)
    return {f.stem[-2:]: tuple(declared.findall(f.read_text(encoding="utf-8"))) for f in files}


def progress_file() -> Path:
    """Where your progress is kept (`HEADS_TO_FEATURES_DATA` names another folder)."""
    folder = os.environ.get("HEADS_TO_FEATURES_DATA") or platformdirs.user_data_dir(
        "heads-to-features", appauthor=False
    )
    return Path(folder) / "progress.json"


def done() -> set[str]:
    """Names of the exercises solved so far, in any lesson.

    A missing file means none; an unreadable one is set aside as `progress.damaged.json`.
    """
    path = progress_file()
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["done"]
        return {str(name) for name in names}
    except OSError:  # no file yet, or none that may be read
        return set()
    except (ValueError, KeyError, TypeError):
        aside = path.with_name("progress.damaged.json")
        path.replace(aside)
        print(f"Your progress file could not be read; it is kept as {aside}, and a new one begins.")
        return set()


def record(exercise: str) -> None:
    """Adds an exercise to the file. A read-only folder costs the record, never the lesson."""
    path = progress_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=5):
            names = done() | {exercise}
            part = path.with_suffix(".part")
            part.write_text(json.dumps({"done": sorted(names)}, indent=1), encoding="utf-8")
            part.replace(path)
    except (OSError, TimeoutError) as error:
        print(f"Solved, but your progress could not be saved in {path.parent} ({error}).")


def show_progress(lesson: str) -> None:
    """Shows which exercises of this lesson, and how many of the course, are done.

    Drawn with ipywidgets 7 or 8 where they are installed, and as text otherwise.

    Args:
        lesson: two digits, such as "11".

    Raises:
        ValueError: no lesson of that number has exercises.
    """
    if lesson not in exercises():
        raise ValueError(f"No lesson {lesson!r} has exercises; there are {', '.join(exercises())}.")
    solved, course = done(), [name for names in exercises().values() for name in names]
    text = _as_text(lesson, solved, course)
    try:
        import ipywidgets
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(text)
        return
    if get_ipython() is None:
        print(text)
        return
    boxes = [ipywidgets.HTML(_pill(name, name in solved)) for name in exercises()[lesson]]
    n_done = sum(name in solved for name in course)
    label = ipywidgets.HTML(f"<b>Lesson {shown(lesson)}</b>")
    total = ipywidgets.HTML(f"<span>Course: {n_done} of {len(course)} exercises</span>")
    layout = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
    box = ipywidgets.Box([label, *boxes, total], layout=layout)
    box.add_class("htf-progress")
    display(box)


def _pill(name: str, is_done: bool) -> str:
    # Mark and border differ as well as colour, so that no one needs to tell the colours apart.
    mark, style = (
        ("&#10003;", "background:#0072B2;color:white;border:2px solid #0072B2")
        if is_done
        else ("&#9675;", "background:white;color:#444;border:2px dashed #999")
    )
    return (
        f'<span style="{style};border-radius:1em;padding:.1em .7em;margin:.2em;'
        f'display:inline-block;line-height:1.6">{mark} {html.escape(name)}</span>'
    )


def _as_text(lesson: str, solved: set[str], course: list[str]) -> str:
    marks = [f"[{'x' if name in solved else ' '}] {name}" for name in exercises()[lesson]]
    n_done = sum(name in solved for name in course)
    return (
        f"Lesson {shown(lesson)}: {'  '.join(marks)}\nCourse: {n_done} of {len(course)} exercises"
    )


# ---- Numbers in the text ------------------------------------------------------------------------


def claim(label: str, measured: float, text: float, within: float) -> None:
    """Compares a number in the lesson's text with what was just measured.

    Args:
        label: what the number is.
        measured: what this run gives.
        text: what the text says; the text prints it in bold, and a test looks for it there.
        within: how far the two may lie apart, since machines round differently.

    Raises:
        AssertionError: they lie further apart.
    """
    measured = float(measured)
    if not abs(measured - text) <= within:
        raise AssertionError(
            f"{label}: the text says {_plain(text)}; this run gives {_plain(measured)}, which is "
            f"not within {_plain(within)}. "
            "If you changed nothing above, please open an issue with your device and versions."
        )
    found, stated, margin = map(_plain, (measured, text, within))
    print(f"{label}: measured {found}; the text's {stated} reproduces within {margin}")


def _plain(number: float) -> str:
    """A number as a reader writes it: no powers of ten."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
