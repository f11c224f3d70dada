"""The learner's copies of the lessons, in `work/`, which git and updates of the course leave alone.

    python -m solutions.work lab        # make missing copies, open JupyterLab at their map
    python -m solutions.work reset 11   # set the copy of lesson 1.1 aside, and make a new one

`make lab` and `make reset N=11` call this; where there is no make, call it yourself.
"""

import argparse
import contextlib
import hashlib
import json
import os
import sys
from pathlib import Path

from utils.checks.progress import free, part_of, write_map
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
    """Copies a blank into `work/`, never over a file that is there, be it since a moment ago.

    All or nothing, but where a folder has no hard links.
    """
    notebook = json.loads(blank.read_text(encoding="utf-8"))
    notebook["metadata"][FROM] = fingerprint(notebook)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    target = WORK / blank.name
    part = part_of(target)
    try:
        part.write_text(text, encoding="utf-8")
        with contextlib.suppress(FileExistsError):
            try:
                os.link(part, target)
            except (OSError, NotImplementedError):  # it is there by now, or there are no links
                with target.open("x", encoding="utf-8") as file:
                    file.write(text)
    finally:
        part.unlink(missing_ok=True)


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
        noted = _metadata(copy)
        now = fingerprint(json.loads(blank.read_text(encoding="utf-8")))
        if noted is not None and noted.get(FROM) != now:
            changed.append(blank.stem[:2])
    write_map()
    return changed


def older() -> list[Path]:
    """Copies of lessons that have another name by now; not what was set aside."""
    blanks = {path.name[:2]: path.name for path in BLANKS.glob("[0-9][0-9]_*.ipynb")}
    return [
        copy
        for copy in sorted(WORK.glob("[0-9][0-9]_*.ipynb"))
        if blanks.get(copy.name[:2], copy.name) != copy.name
        and "-" not in copy.stem
        and FROM in (_metadata(copy) or {})
    ]


def _metadata(copy: Path) -> dict | None:
    """None if the copy is torn: the learner's own affair; JupyterLab will say what is wrong."""
    try:
        found = json.loads(copy.read_text(encoding="utf-8"))["metadata"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


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
        changed, old = copy_missing(), older()
    except (OSError, ValueError) as error:
        sys.exit(f"Your copies in {WORK} could not be made: {error}")
    said = []
    if changed:
        names = ", ".join(map(shown, changed))
        said.append(
            f"Changed since your copies were made: {names}; `make reset N={changed[0]}` renews one."
        )
    for copy in old:
        lesson = shown(copy.name[:2])
        said.append(f"work/{copy.name} is of an older edition of lesson {lesson}.")
    if said:
        print(*said)
    lab(others)


if __name__ == "__main__":
    main()
