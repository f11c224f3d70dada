"""The learner's copies of the lessons, in `work/`, which git and updates of the course leave alone.

    python -m solutions.work lab        # make missing copies, open JupyterLab at their map
    python -m solutions.work reset 11   # set the copy of lesson 1.1 aside, and make a new one

`make lab` and `make reset N=11` call this; where there is no make, call it yourself.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

from utils.checks.progress import free, write_map
from utils.lesson import shown

ROOT = Path(__file__).resolve().parents[1]
BLANKS, WORK = ROOT / "notebooks", ROOT / "work"
# Where a copy's metadata keeps what its blank was.
FROM = "heads_to_features_blank"


def fingerprint(notebook: dict) -> str:
    """Of the sources of a notebook's cells: another layout of the file is no change."""
    text = json.dumps(["".join(cell["source"]) for cell in notebook["cells"]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _copy(blank: Path) -> None:
    """Copies a blank into `work/`, all or nothing, and never over a file that is there."""
    notebook = json.loads(blank.read_text(encoding="utf-8"))
    notebook["metadata"][FROM] = fingerprint(notebook)
    part = WORK / f".{blank.name}.part"
    part.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    target = WORK / blank.name
    if target.exists():  # by now
        part.unlink()
    else:
        part.rename(target)


def copy_missing() -> list[str]:
    """Copies each lesson of which there is no copy, and makes the map over them.

    Returns:
        The numbers of the lessons that have changed since their copies were made.
    """
    WORK.mkdir(exist_ok=True)
    changed = []
    for blank in sorted(BLANKS.glob("[0-9][0-9]_*.ipynb")):
        copy = WORK / blank.name
        if not copy.exists():
            _copy(blank)
            continue
        try:
            was = json.loads(copy.read_text(encoding="utf-8"))["metadata"].get(FROM)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # the learner's own affair; JupyterLab will say what is wrong with it
        if was != fingerprint(json.loads(blank.read_text(encoding="utf-8"))):
            changed.append(blank.stem[:2])
    write_map()
    return changed


def reset(number: str) -> Path | None:
    """Sets the copy of a lesson aside, under a number of its own, and makes a new one.

    Returns:
        Where the old one is now; None if there was none.

    Raises:
        ValueError: there is no lesson of that number.
    """
    blanks = {path.stem[:2]: path for path in sorted(BLANKS.glob("[0-9][0-9]_*.ipynb"))}
    if number.replace(".", "") not in blanks:
        raise ValueError(f"There is no lesson {number!r}; there are {', '.join(blanks)}.")
    blank = blanks[number.replace(".", "")]
    WORK.mkdir(exist_ok=True)
    copy, aside = WORK / blank.name, None
    if copy.exists():
        aside = copy.rename(free(copy))
    _copy(blank)
    write_map()
    return aside


def lab(arguments: list[str]) -> None:
    """Opens JupyterLab at the map of the learner's copies, with the settings in `.jupyter/`."""
    own = [str(ROOT / ".jupyter"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, own))
    os.environ.setdefault("JUPYTERLAB_WORKSPACES_DIR", str(Path(sys.prefix) / "workspaces"))
    os.chdir(ROOT)
    from jupyterlab.labapp import main

    main(arguments)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m solutions.work")
    command = parser.add_subparsers(dest="command", required=True)
    command.add_parser("lab", help="make missing copies and open JupyterLab", add_help=False)
    command.add_parser("reset", help="set a copy aside and make a new one").add_argument("number")
    arguments, others = parser.parse_known_args()
    try:
        if arguments.command == "reset":
            aside = reset(arguments.number)
            kept = f"; the old one is {aside.relative_to(ROOT)}" if aside else ""
            print(
                f"A new copy of lesson {shown(arguments.number.replace('.', ''))} is in work/{kept}."
            )
            return
        changed = copy_missing()
    except (OSError, ValueError) as error:
        sys.exit(f"Your copies in {WORK} could not be made: {error}")
    if changed:
        names = ", ".join(map(shown, changed))
        print(
            f"Changed since your copies were made: {names}; `make reset N={changed[0]}` renews one."
        )
    lab(others)


if __name__ == "__main__":
    main()
