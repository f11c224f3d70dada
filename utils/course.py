"""The course as a whole: its map, its address, and the road from source to notebooks.

`python -m utils.course blanks` brings everything generated up to date, `sync` says whether it is,
and `run 01` runs one solved lesson without a screen.
"""

import argparse
import base64
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import plotly.graph_objects as go
from nbconvert.preprocessors import Preprocessor

from utils.lesson import ROOT

SOLUTIONS, NOTEBOOKS, BLANK_CONFIG = "solutions", "notebooks", ".jupyter/blank.py"


@dataclass(frozen=True)
class Lesson:
    """One row of the course map."""

    number: str
    slug: str
    title: str
    part: str

    @property
    def stem(self) -> str:
        return f"{self.number}_{self.slug}"

    @property
    def is_written(self) -> bool:
        return (ROOT / SOLUTIONS / f"{self.stem}.py").exists()


LESSONS = tuple(
    Lesson(*row)
    for row in [
        ("00", "meet_the_model", "Meet the model", "Look"),
        ("01", "induction_heads", "Induction heads", "Circuits"),
        ("02", "direct_logit_attribution", "Who moves the name: logit attribution", "Circuits"),
        ("03", "patching", "Activation, path and attribution patching", "Circuits"),
        ("04", "circuit_discovery", "Finding circuits automatically", "Circuits"),
        ("05", "linear_probes", "Linear probes, and what fools them", "Read"),
        ("06", "world_models", "World models: probing where the world is known", "Read"),
        ("07", "steering_vectors", "Steering vectors, and what they cost", "Write"),
        ("08", "emotion_circle", "The emotion circle", "Write"),
        ("09", "shared_geometry", "Shared geometry: moving a vector to another model", "Write"),
        ("10", "superposition", "Superposition", "Features"),
        ("11", "sparse_autoencoders", "Sparse autoencoders", "Features"),
        ("12", "features", "Features of a real model, and of a random one", "Features"),
        ("13", "transcoders", "Transcoders and attribution graphs", "Features"),
        ("14", "self_verification", "How a reasoning model checks itself", "Case studies"),
        ("15", "keep_thinking", "Keep thinking or stop", "Case studies"),
        ("16", "pointers", "Pointers: binding and belief", "Case studies"),
        ("17", "in_context_geometry", "In-context geometry and its null model", "Case studies"),
        ("18", "grokking", "Grokking", "Case studies"),
        ("19", "planted_behaviours", "Planted behaviours: refusals and secrets", "Case studies"),
        ("20", "clinic", "When is a result fake? A clinic", "Case studies"),
        ("21", "beyond_one_machine", "Beyond one machine: a remote 70B", "Scale"),
    ]
)

# --- What is generated from the address and the map ------------------------------------------


def address() -> str:
    """The repository's address, from the one place where it is set: `pyproject.toml`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def setup_cell() -> str:
    """The set-up cell, the same in every lesson: finds the course, or clones it."""
    url = address()
    return f'''\
import pathlib, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "{url}"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root = next(found, here / "{url.rsplit("/", 1)[1]}")
if not root.exists():
    subprocess.run(["git", "clone", "--quiet", "--depth=1", url, str(root)], check=True)
sys.path[:0] = [] if str(root) in sys.path else [str(root)]
__import__("utils.lesson").lesson.begin()'''


def colab_badge(lesson: Lesson) -> str:
    """Markdown that opens a lesson's blank notebook on Colab."""
    repository = address().removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{repository}/blob/main/{NOTEBOOKS}"
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open lesson {lesson.number} in Colab]({picture})]({link}/{lesson.stem}.ipynb)"


def course_map(prefix: str = "") -> str:
    """The course map as a markdown table; lessons that are not written yet carry no link.

    Args:
        prefix: from the page that shows the table to `notebooks/`, such as "notebooks/".
    """
    up = "../" if not prefix else ""
    rows = ["| | lesson | part | solved |", "|---|---|---|---|"]
    for lesson in LESSONS:
        title, solved = f"{lesson.title} *(planned)*", ""
        if lesson.is_written:
            title = f"[{lesson.title}]({prefix}{lesson.stem}.ipynb)"
            solved = f"[with outputs]({up}{SOLUTIONS}/{lesson.stem}.ipynb)"
        rows.append(f"| {lesson.number} | {title} | {lesson.part} | {solved} |")
    return "\n".join(rows)


def colab_table() -> str:
    """The lessons that open on Colab, as a markdown table."""
    rows = ["| lesson | |", "|---|---|"]
    written = [lesson for lesson in LESSONS if lesson.is_written]
    rows += [f"| {each.number} {each.title} | {colab_badge(each)} |" for each in written]
    return "\n".join(rows)


def badges() -> str:
    """The README's badges."""
    workflow = f"{address()}/actions/workflows/test.yml"
    return f"[![tests]({workflow}/badge.svg)]({workflow})"


def _filled(text: str) -> str:
    """`text` with everything between `<!-- name -->` and `<!-- end name -->` made anew."""
    makers = {"badges": badges, "colab": colab_table, "map": lambda: course_map("notebooks/")}
    for name, make in makers.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
        text = re.sub(pattern, lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", text, flags=re.S)
    return text


def _stamped(source: str, lesson: Lesson) -> str:
    """A lesson's source with its badge and its set-up cell made anew."""
    badge = colab_badge(lesson)
    source = re.sub(r"^# \[!\[Open lesson .*$", lambda _: f"# {badge}", source, flags=re.M)
    pattern = r'(# %% tags=\["setup"\]\n).*?\n*^(?=# %%)'
    return re.sub(
        pattern, lambda m: f"{m[1]}{setup_cell()}\n\n", source, count=1, flags=re.S | re.M
    )


def generated_texts() -> dict[Path, str]:
    """Path -> what it should hold, for the text files that are generated in whole or in part."""
    readme = ROOT / "README.md"
    texts = {
        readme: _filled(readme.read_text(encoding="utf-8")),
        ROOT / NOTEBOOKS / "README.md": (
            "# The course map\n\nStart with 00: lessons build on the ones before them. Open one, "
            "run its cells from the top, and fill in the exercises.\n\n" + course_map() + "\n"
        ),
    }
    for lesson in LESSONS:
        if lesson.is_written:
            path = ROOT / SOLUTIONS / f"{lesson.stem}.py"
            texts[path] = _stamped(path.read_text(encoding="utf-8"), lesson)
    return texts


# --- From source to notebooks ------------------------------------------------------------------


class FoldSolutions(Preprocessor):
    """Copies each solution into a fold below the exercise's hints, before the blank is made.

    And forgets what belongs to the run of the solved lesson: widgets show the author's progress.
    """

    def preprocess(self, nb, resources):
        for of_the_solved_one in ("widgets", "executed"):
            nb.metadata.pop(of_the_solved_one, None)
        code = None
        for cell in nb.cells:
            if "### BEGIN SOLUTION" in cell.source:
                code = re.sub(
                    r"^ *### (BEGIN|END) SOLUTION\n?", "", cell.source, flags=re.M
                ).rstrip()
            elif "hints" in cell.metadata.get("tags", []) and code is not None:
                fold = (
                    f"<details><summary>Solution</summary>\n\n```python\n{code}\n```\n\n</details>"
                )
                cell.source += f"\n\n{fold}"
                code = None
        return nb, resources


def _code(path: Path) -> str:
    """A fingerprint of a lesson's code, of the source or of the notebook."""
    cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def _executed(path: Path) -> str | None:
    """The fingerprint of the code that a notebook's outputs come from, if it was ever run."""
    return nbformat.read(path, 4).metadata.get("executed") if path.exists() else None


def _solved(lesson: Lesson, *, run: bool) -> None:
    """Brings `solutions/NN.ipynb` up to date with its source, and runs it where that is needed."""
    source = ROOT / SOLUTIONS / f"{lesson.stem}.py"
    target = source.with_suffix(".ipynb")
    subprocess.run(
        [sys.executable, "-m", "jupytext", "--quiet", "--to", "ipynb", "--update", str(source)],
        check=True,
    )
    # jupytext keeps the outputs of changed cells, so ask what code the outputs come from.
    if run or _executed(target) != _code(target):
        print(f"Running {target.relative_to(ROOT)}", flush=True)
        with tempfile.TemporaryDirectory() as data:
            _nbconvert("--inplace", "--execute", str(target), data=data)
        notebook = nbformat.read(target, 4)
        _drop_progress_bars(notebook)
        _add_pictures(notebook)
        notebook.metadata["executed"] = _code(target)
        nbformat.write(notebook, target)


def _drop_progress_bars(notebook: nbformat.NotebookNode) -> None:
    """A finished bar says nothing, and every tick of it would be saved."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if not _is_progress_bar(o)]


def _is_progress_bar(output: nbformat.NotebookNode) -> bool:
    return output.get("name") == "stderr" and "\r" in output.text


def _add_pictures(notebook: nbformat.NotebookNode) -> None:
    """Puts a PNG beside each plotly figure, with its title as alt text.

    Pages that run no scripts, such as a repository's web view, show that one.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("No Chromium here: figures are saved without pictures, and the tests will say so.")
        return
    os.environ.setdefault("BROWSER_PATH", browser)  # kaleido asks there
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        figure = output.get("data", {}).get("application/vnd.plotly.v1+json")
        if figure is not None:
            fig = go.Figure(figure["data"], figure["layout"])
            png = fig.to_image(format="png", width=fig.layout.width or 760)
            output.data["image/png"] = base64.b64encode(png).decode()
            output.data["text/plain"] = f"[figure: {fig.layout.title.text}]"
            output.metadata["image/png"] = {"alt": fig.layout.title.text}


def _nbconvert(*arguments: str, data: str | None = None) -> None:
    """Runs nbconvert. A kernel it starts keeps its progress in the folder `data`."""
    env = dict(os.environ, HEADS_TO_FEATURES_STRICT="1")
    if data is not None:
        env["HEADS_TO_FEATURES_DATA"] = data
    timing = "--ExecutePreprocessor.record_timing=False"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "nbconvert",
            "--log-level=ERROR",
            "--to=notebook",
            timing,
            *arguments,
        ],
        check=True,
        cwd=ROOT,
        env=env,
    )


def make_blanks(folder: Path) -> None:
    """Writes the blank of every written lesson into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{SOLUTIONS}/{lesson.stem}.ipynb" for lesson in LESSONS if lesson.is_written]
    _nbconvert(f"--config={BLANK_CONFIG}", f"--output-dir={folder}", *names)


def blanks(*, run: bool) -> None:
    """Brings everything that is generated up to date; `run` re-runs every solved lesson."""
    for path, text in generated_texts().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for lesson in LESSONS:
        if lesson.is_written:
            _solved(lesson, run=run)
    make_blanks(ROOT / NOTEBOOKS)


def out_of_sync() -> list[str]:
    """One line for each generated file that is not what its source makes; empty if all is well."""
    lines = [
        f"{path.relative_to(ROOT)} is not what its source makes"
        for path, text in generated_texts().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for lesson in LESSONS:
        if lesson.is_written:
            source = ROOT / SOLUTIONS / f"{lesson.stem}.py"
            notebook = source.with_suffix(".ipynb")
            lines += _differences(_cells(source), _cells(notebook), source.name)
            if _executed(notebook) != _code(source):
                lines.append(f"{notebook.name}: its outputs come from other code than it shows")
    with tempfile.TemporaryDirectory() as folder:
        make_blanks(Path(folder))
        made = {path.name: path.read_text(encoding="utf-8") for path in Path(folder).iterdir()}
    kept = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / NOTEBOOKS).glob("*.ipynb")}
    for name in sorted(made.keys() | kept.keys()):
        before, after = kept.get(name, "").splitlines(), made.get(name, "").splitlines()
        lines += _differences(before, after, f"{NOTEBOOKS}/{name}")
    return lines


def _cells(path: Path) -> list[str]:
    """Kinds, tags and sources of a lesson's cells, a line each."""
    if not path.exists():
        return []
    lines = []
    for cell in jupytext.read(path).cells:
        tags = " ".join(cell.metadata.get("tags", []))
        lines += [f"--- {cell.cell_type} {tags}", *cell.source.splitlines()]
    return lines


def _differences(kept: list[str], made: list[str], name: str) -> list[str]:
    diff = list(difflib.unified_diff(kept, made, "kept", "made anew", lineterm="", n=0))
    return [f"{name} is out of date:", *diff[:12]] if diff else []


def run(number: str) -> float:
    """Runs one solved lesson as a script and returns the seconds it took.

    Raises:
        SystemExit: no lesson of that number is written, or the lesson failed.
    """
    written = {lesson.number: lesson for lesson in LESSONS if lesson.is_written}
    if number not in written:
        raise SystemExit(f"No lesson {number!r} is written; there are {', '.join(written)}.")
    import resource  # not on Windows, and needed only here

    lesson, start = written[number], time.perf_counter()
    with tempfile.TemporaryDirectory() as data:
        env = dict(os.environ, HEADS_TO_FEATURES_STRICT="1", HEADS_TO_FEATURES_DATA=data)
        script = str(ROOT / SOLUTIONS / f"{lesson.stem}.py")
        code = subprocess.run([sys.executable, script], cwd=ROOT, env=env).returncode
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024  # what macOS and Linux count ru_maxrss in
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9
    print(f"\nLesson {number} took {seconds:.0f} s and at most {peak:.1f} GB of memory.")
    if code:
        raise SystemExit(f"Lesson {number} failed; its last lines above say where.")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m utils.course", description=__doc__)
    command = parser.add_subparsers(dest="command", required=True)
    command.add_parser("sync", help="say whether everything generated is up to date")
    fill = command.add_parser("blanks", help="bring everything generated up to date")
    fill.add_argument("--run", action="store_true", help="run every solved lesson again")
    command.add_parser("run", help="run one solved lesson").add_argument("number")
    arguments = parser.parse_args()
    if arguments.command == "blanks":
        blanks(run=arguments.run)
    elif arguments.command == "run":
        run(arguments.number)
    elif lines := out_of_sync():
        raise SystemExit("\n".join([*lines, "Run `make blanks`, and commit what it writes."]))
    else:
        print("Everything generated is up to date.")


if __name__ == "__main__":
    main()
