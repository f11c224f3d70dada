"""The course as a whole: its map, its address, and the road from source to notebooks.

    python -m solutions.make blanks     # bring everything generated up to date
    python -m solutions.make sync       # say whether it is
    python -m solutions.make run 11     # run one solved lesson without a screen
    python -m solutions.make form       # statistics of form, a line a lesson

A lesson's source, `solutions/NN_slug.py`, makes the solved notebook beside it, which is executed,
and that one the blank in `notebooks/`. The code of an exercise comes from `utils`: it is stamped
into the cell that is tagged `exercise:` and the function's path. A cell tagged `answer:` and a name
holds the answer of an investigation.
"""

import argparse
import ast
import base64
import difflib
import hashlib
import html
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import plotly.graph_objects as go
from nbclient import NotebookClient
from nbformat import NotebookNode

from utils.checks.progress import exercises
from utils.lesson import ROOT, shown

SOLUTIONS, NOTEBOOKS = "solutions", "notebooks"
MAP = f"../{NOTEBOOKS}/README.md"  # from a solved lesson
# What a reader may skip: folded in notebooks, but for its first line.
FOLDED = frozenset(["setup", "numbers", "results", "progress", "folded"])
# The tens digit of a lesson's number is its part.
PARTS = ("Look", "Circuits", "Read", "Write", "Features", "Case studies", "Scale")


@dataclass(frozen=True)
class Lesson:
    """A lesson, known by its source's name and first heading: `solutions/11_induction_heads.py`.

    Attributes:
        number: two digits, of which the first is the part: "11".
        slug: the rest of the file's name.
        title: of the heading, without the number.
        time, needs: as its head says, in short: "two hours" and "00, 1.1".
    """

    number: str
    slug: str
    title: str
    time: str
    needs: str

    @property
    def stem(self) -> str:
        return f"{self.number}_{self.slug}"

    @property
    def source(self) -> Path:
        return ROOT / SOLUTIONS / f"{self.stem}.py"

    @property
    def name(self) -> str:
        return f"{shown(self.number)} · {self.title}"


def _lessons() -> tuple[Lesson, ...]:
    found = []
    for path in sorted((ROOT / SOLUTIONS).glob("[0-9][0-9]_*.py")):
        number, _, slug = path.stem.partition("_")
        text = path.read_text(encoding="utf-8")
        heading = re.search(r"^# # \S+ · (.*)$", text, re.M)
        if heading is None:
            raise ValueError(f"{path.name} has no heading such as `# # 1.1 · Induction heads`.")
        head = text[: text.find('# %% tags=["setup"]')].replace("\n# ", " ")
        told = re.search(r"\*\*Time\*\* (.+?)\. \*\*Needs\*\* (.+?)\.\s", head)
        if told is None:
            raise ValueError(f"{path.name} has no `**Time** two hours. **Needs** lesson 00.`")
        lessons = re.findall(r"\b(?:00|\d\.\d)(?: to \d\.\d)?\b", told[2])
        needs = ", ".join(sorted(lessons)) or told[2].partition(";")[0]
        found.append(Lesson(number, slug, heading[1], told[1], needs))
    return tuple(found)


LESSONS = _lessons()

# --- What is generated from the address and the map ------------------------------------------


def address() -> str:
    """The repository's address, from the one place where it is set: `pyproject.toml`."""
    return _project()["urls"]["Repository"]


def release() -> str:
    """The tag of the release that a notebook belongs to: `pyproject.toml`'s version."""
    return f"v{_project()['version']}"


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def setup_cell() -> str:
    """The set-up cell, the same in every lesson: finds the course, or clones this release of it.

    Where the release has no tag yet, which is so between two releases, it clones the newest state.
    """
    url = address()
    return f'''\
import pathlib, runpy, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "{url}"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root, why = next(found, here / "{url.rsplit("/", 1)[1]}"), "delete this folder, which is half there"
if not root.exists():
    git = f\'git clone -q --depth=1 {{url}} "{{root}}"\'
    why = " ".join(subprocess.getoutput(f"{{git}} -b {release()} || {{git}}").split())[-200:]
if not (root / "utils" / "lesson.py").exists():
    sys.exit(f"Could not fetch the course to {{root}}; mend this, run the cell again: {{why}}")
runpy.run_path(str(root / "utils" / "lesson.py"))["begin"]()'''


def _on_colab(lesson: Lesson) -> str:
    repository = address().removeprefix("https://github.com/")
    where = f"https://colab.research.google.com/github/{repository}/blob/main/{NOTEBOOKS}"
    return f"{where}/{lesson.stem}.ipynb"


def colab_badge(lesson: Lesson) -> str:
    """Markdown that opens a lesson's blank notebook on Colab."""
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open lesson {shown(lesson.number)} in Colab]({picture})]({_on_colab(lesson)})"


def way(lesson: Lesson) -> str:
    """The line at a lesson's head and foot: the map, the lesson before it and the one after it.

    Relative links serve in JupyterLab and on the repository's pages, absolute ones on Colab.
    """
    at = LESSONS.index(lesson)
    steps = {
        "Previous": LESSONS[at - 1] if at else None,
        "Next": LESSONS[at + 1] if at + 1 < len(LESSONS) else None,
    }
    here = [f"**Map:** [all lessons]({MAP})"]
    colab = [f"[map]({address()}#the-course-map)"]
    for step, other in steps.items():
        if other is not None:
            here.append(f"**{step}:** [{other.name}]({other.stem}.ipynb)")
            colab.append(f"[{step.lower()}]({_on_colab(other)})")
    return f"{' | '.join(here)} | On Colab: {', '.join(colab)}"


def course_map(prefix: str = "", *, online: bool = False) -> str:
    """The course map as a markdown table, its parts as groups.

    Args:
        prefix: from the page that shows the table to `notebooks/`, such as "notebooks/".
        online: with a column of Colab's badges, which are pictures from elsewhere.
    """
    up = "../" if not prefix else ""
    colab = ["nothing to install"] if online else []
    head = ["", "lesson", "time", "needs", "with outputs", *colab, "exercises"]
    rows = [head, ["---"] * len(head)]
    for i, part in enumerate(PARTS):
        of_part = [lesson for lesson in LESSONS if lesson.number[0] == str(i)]
        if of_part and i:
            rows.append([f"**{i}**", f"**{part}**", *[""] * (len(head) - 2)])
        for lesson in of_part:
            title = f"[{lesson.title}]({prefix}{lesson.stem}.ipynb)"
            solved = f"[solved]({up}{SOLUTIONS}/{lesson.stem}.ipynb)"
            badge = [colab_badge(lesson)] if online else []
            n = str(len(exercises()[lesson.number]))
            row = [shown(lesson.number), title, lesson.time, lesson.needs, solved, *badge, n]
            rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def badges() -> str:
    """The README's badges."""
    workflow = f"{address()}/actions/workflows/test.yml"
    return f"[![tests]({workflow}/badge.svg)]({workflow})"


def _filled(text: str) -> str:
    """`text` with everything between `<!-- name -->` and `<!-- end name -->` made anew."""
    makers = {"badges": badges, "map": lambda: course_map("notebooks/", online=True)}
    for name, make in makers.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
        text = re.sub(pattern, lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", text, flags=re.S)
    return text


PROGRESS = """\
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("{}")"""


def _stamped(source: str, lesson: Lesson) -> str:
    """A lesson's source with all that is generated in it made anew.

    That is its badge, the lines with the way on, its set-up cell, its last cell and its stamped
    exercises.
    """
    for start, line in [
        (r"\[!\[Open lesson ", colab_badge(lesson)),
        (r"\*\*Map:\*\*", way(lesson)),
    ]:
        source = re.sub(rf"^# {start}.*$", lambda _, line=line: f"# {line}", source, flags=re.M)

    def setup(cell: re.Match) -> str:
        return f"{cell[1]}{setup_cell()}\n\n"

    def last(cell: re.Match) -> str:
        return f"{cell[1]}{PROGRESS.format(lesson.number)}\n"

    def exercise(cell: re.Match) -> str:
        return f"\n\n\n{cell[1]}{exercise_code(cell[2])}\n\n\n"

    end = r".*?\n*(?=^# %%|\Z)"  # of a cell
    for start, code in [
        (r'(# %% tags=\["setup"\]\n)', setup),
        (r'(# %% tags=\["progress"\]\n)', last),
        (r'\n*(# %% tags=\["exercise:([\w.]+)"\]\n)', exercise),
    ]:
        source = re.sub(start + end, code, source, flags=re.S | re.M)
    return source


def generated_texts() -> dict[Path, str]:
    """Path -> what it should hold, for the text files that are generated in whole or in part."""
    readme, citation = ROOT / "README.md", ROOT / "CITATION.cff"
    cited, line = citation.read_text(encoding="utf-8"), f"repository-code: {address()}"
    texts = {
        citation: re.sub(r"^repository-code: .*$", line, cited, flags=re.M),
        readme: _filled(readme.read_text(encoding="utf-8")),
        ROOT / NOTEBOOKS / "README.md": (
            "# The course map\n\nStart with 00: lessons build on the ones before them. Open one, "
            "run its cells from the top, and fill in the exercises.\n\n" + course_map() + "\n"
        ),
    }
    for lesson in LESSONS:
        texts[lesson.source] = _stamped(lesson.source.read_text(encoding="utf-8"), lesson)
    return texts


# --- From source to notebooks ------------------------------------------------------------------


def tags(cell: NotebookNode) -> list[str]:
    """A cell's tags."""
    return cell.metadata.get("tags", [])


def _answer(cell: NotebookNode) -> str:
    """The name that an investigation's cell gives its answer, by its tag; empty for others."""
    return next((tag.partition(":")[2] for tag in tags(cell) if tag.startswith("answer:")), "")


def exercise_code(path: str) -> str:
    """The source of a function of the course, its body between the markers of a solution.

    Args:
        path: such as "utils.heads.mean_ablate".
    """
    module, _, name = path.rpartition(".")
    function = inspect.unwrap(getattr(importlib.import_module(module), name))
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    if lines[0].startswith("@guarded("):  # the learner's version is given good input
        starts = ("def ", "@contextmanager")
        lines = lines[next(i for i, line in enumerate(lines) if line.startswith(starts)) :]
    docstring, first = ast.parse("\n".join(lines)).body[0].body[:2]
    begin, end = "    ### BEGIN SOLUTION", "    ### END SOLUTION"
    comments = docstring.end_lineno  # a comment above the first statement is part of the solution
    assert isinstance(docstring, ast.Expr) and first.lineno > comments, f"{path}: no docstring"
    return "\n".join([*lines[:comments], begin, *lines[comments:], end])


def solved_notebook(lesson: Lesson) -> NotebookNode:
    """The lesson as a notebook without outputs, arXiv's numbers linked, `FOLDED` cells folded."""
    notebook = jupytext.read(lesson.source)
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.metadata = {"tags": tags(cell)} if tags(cell) else {}
        if FOLDED & set(tags(cell)):
            cell.metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
        if cell.cell_type == "markdown":
            link = r"[arXiv \1](https://arxiv.org/abs/\1)"
            cell.source = re.sub(r"(?<!\[)\barXiv (\d{4}\.\d{4,5})(?!\])", link, cell.source)
        digest = hashlib.sha256(f"{cell.cell_type}{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def blank_notebook(solved: NotebookNode) -> NotebookNode:
    """What a learner opens: without answers, outputs and cells of numbers.

    Each solution goes into a folded cell of its own below the exercise's hints: who opens the
    source of the hints does not see it.
    """
    blank = nbformat.from_dict(solved)
    blank.metadata = {"kernelspec": solved.metadata["kernelspec"]}
    blank.cells = [c for c in blank.cells if not {"solution-only", "numbers"} & set(tags(c))]
    cells, solution = [], None
    for cell in blank.cells:
        cells.append(cell)
        if "### BEGIN SOLUTION" in cell.source:
            solution = re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", cell.source, flags=re.M)
            stub = r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION"
            code = r"\1raise NotImplementedError  # your code here"
            if answer := _answer(cell):
                code = f"{answer} = ...  # your answer here"
            cell.source = re.sub(stub, code, cell.source, flags=re.M | re.S)
        elif "hints" in tags(cell) and solution:
            fold = "<details><summary>Solution</summary>\n\n```python\n{}\n```\n\n</details>"
            text, about = fold.format(solution.rstrip()), {"tags": ["solution"]}
            below = nbformat.v4.new_markdown_cell(text, id=f"{cell.id}-solution", metadata=about)
            cells.append(below)
            solution = None
        elif cell.cell_type == "markdown":
            cell.source = cell.source.replace(f"]({MAP})", "](README.md)")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    blank.cells = cells
    return blank


def _code(notebook: NotebookNode) -> str:
    """A fingerprint of what a notebook's code does: comments and docstrings aside."""
    cells = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    for function in (node for cell in cells for node in ast.walk(cell)):
        if isinstance(function, ast.FunctionDef) and ast.get_docstring(function) is not None:
            del function.body[0]
    code = json.dumps([ast.dump(cell) for cell in cells])
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _kept(lesson: Lesson) -> NotebookNode | None:
    """The solved notebook as it is on disk."""
    path = lesson.source.with_suffix(".ipynb")
    return nbformat.read(path, 4) if path.exists() else None


def _solve(lesson: Lesson, *, run: bool) -> NotebookNode:
    """The solved notebook with its outputs: those on disk if they come from the same code."""
    notebook, kept = solved_notebook(lesson), _kept(lesson)
    if not run and kept is not None and kept.metadata.get("executed") == _code(notebook):
        outputs = [cell for cell in kept.cells if cell.cell_type == "code"]
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for cell, old in zip(code, outputs, strict=True):
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
        notebook.metadata = kept.metadata
        return notebook
    print(f"Running {lesson.stem}", flush=True)
    with tempfile.TemporaryDirectory() as data:
        client = NotebookClient(
            notebook,
            timeout=None,
            record_timing=False,
            resources={"metadata": {"path": str(ROOT / SOLUTIONS)}},
        )
        client.execute(env=_quiet_environment(data))
    _drop_progress_bars(notebook)
    _still(notebook)
    _add_pictures(notebook)
    notebook.metadata["executed"] = _code(notebook)
    return notebook


def _quiet_environment(data: str) -> dict[str, str]:
    """The environment of a run whose checks are strict and whose progress nobody keeps."""
    return dict(os.environ, HEADS_TO_FEATURES_EXPECT="correct", HEADS_TO_FEATURES_DATA=data)


def _drop_progress_bars(notebook: NotebookNode) -> None:
    """A finished bar says nothing, and every tick of it would be saved."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if not _is_progress_bar(o)]


def _is_progress_bar(output: NotebookNode) -> bool:
    return output.get("name") == "stderr" and "\r" in output.text


def _still(notebook: NotebookNode) -> None:
    """Leaves what each widget shows at the start: nobody is there to move it on a saved page."""
    notebook.metadata.pop("widgets", None)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if {"text/html", PLOTLY} & set(output.get("data", {})):
            output.data.pop("application/vnd.jupyter.widget-view+json", None)


PLOTLY = "application/vnd.plotly.v1+json"


def _add_pictures(notebook: NotebookNode) -> None:
    """Puts a PNG beside each plotly figure, with its title as alt text.

    Pages that run no scripts, such as a repository's web view, show that one. It is HTML, as
    nbconvert drops the alt text of what is `image/png`.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("No Chromium here: figures are saved without pictures, and the tests will say so.")
        return
    os.environ.setdefault("BROWSER_PATH", browser)  # kaleido asks there
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        figure = output.get("data", {}).get(PLOTLY)
        if figure is not None:
            fig = go.Figure(figure["data"], figure["layout"])
            columns = sum(1 for _ in fig.select_xaxes()) + sum(1 for _ in fig.select_polars())
            png = fig.to_image(format="png", width=900 if columns > 1 else 760)
            alt = html.escape(re.sub(r"<[^>]*>", " ", fig.layout.title.text or ""))
            data = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            output.data["text/html"] = f'<img alt="{alt}" src="{data}" style="max-width:100%">'
            output.data["text/plain"] = f"[figure: {fig.layout.title.text}]"


def _written(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook, 4) + "\n"


def blanks(*, run: bool, only: str | None = None) -> None:
    """Brings everything that is generated up to date.

    Args:
        run: re-run every solved lesson, changed or not.
        only: the number of the one lesson whose notebooks to make.
    """
    if only not in (None, *(lesson.number for lesson in LESSONS)):
        raise SystemExit(_no_lesson(only))
    for path, text in generated_texts().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for lesson in LESSONS:
        if only in (None, lesson.number):
            solved = _solve(lesson, run=run)
            lesson.source.with_suffix(".ipynb").write_text(_written(solved), encoding="utf-8")
            blank = _written(blank_notebook(solved))
            (ROOT / NOTEBOOKS / f"{lesson.stem}.ipynb").write_text(blank, encoding="utf-8")


def out_of_sync() -> list[str]:
    """One line for each generated file that is not what its source makes; empty if all is well."""
    lines = [
        f"{path.relative_to(ROOT)} is not what its source makes"
        for path, text in generated_texts().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    made = {}
    for lesson in LESSONS:
        solved, kept = solved_notebook(lesson), _kept(lesson)
        lines += _differences(_cells(kept), _cells(solved), f"{lesson.stem}.ipynb")
        if kept is None or kept.metadata.get("executed") != _code(solved):
            lines.append(f"{lesson.stem}.ipynb: its outputs come from other code than it shows")
        made[f"{lesson.stem}.ipynb"] = _written(blank_notebook(solved))
    kept = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / NOTEBOOKS).glob("*.ipynb")}
    for name in sorted(made.keys() | kept.keys()):
        before, after = kept.get(name, "").splitlines(), made.get(name, "").splitlines()
        lines += _differences(before, after, f"{NOTEBOOKS}/{name}")
    return lines


def _cells(notebook: NotebookNode | None) -> list[str]:
    """Kinds, tags and sources of a notebook's cells, a line each."""
    lines = []
    for cell in notebook.cells if notebook else []:
        lines += [f"--- {cell.cell_type} {' '.join(tags(cell))}", *cell.source.splitlines()]
    return lines


def _differences(kept: list[str], made: list[str], name: str) -> list[str]:
    diff = list(difflib.unified_diff(kept, made, "kept", "made anew", lineterm="", n=0))
    return [f"{name} is out of date:", *diff[:12]] if diff else []


def run(number: str) -> float:
    """Runs one solved lesson as a script and returns the seconds it took.

    Raises:
        SystemExit: there is no lesson of that number, or it failed.
    """
    lessons = {lesson.number: lesson for lesson in LESSONS}
    if number not in lessons:
        raise SystemExit(_no_lesson(number))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as data:
        script = [sys.executable, str(lessons[number].source)]
        code = subprocess.run(script, cwd=ROOT, env=_quiet_environment(data)).returncode
    seconds = time.perf_counter() - start
    print(f"\nLesson {number} took {seconds:.0f} s{_and_memory()}.")
    if code:
        raise SystemExit(f"Lesson {number} failed; its last lines above say where.")
    return seconds


def _no_lesson(number: str) -> str:
    return f"There is no lesson {number!r}; there are {', '.join(each.number for each in LESSONS)}."


def _and_memory() -> str:
    """The most memory that a process started from here held, where the system counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    unit = 1 if sys.platform == "darwin" else 1024  # what macOS and Linux count ru_maxrss in
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9
    return f" and at most {peak:.1f} GB of memory"


# --- Statistics of form --------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """What can be counted of a lesson.

    Attributes:
        core_words, words: of prose in the blank, without hints, up to "Going deeper" and in all.
        lines: of code in the source, exercises stamped, without claims.
        exercises: lines of each solution, answers of investigations aside.
        share: of the method's code, in which neither set-up, imports nor checks count, that the
            learner writes.
        bold: measured numbers in the text.
        most_bold: in one paragraph.
        loose: claims whose tolerance is above 15% of the value.
    """

    core_words: int
    words: int
    lines: int
    exercises: tuple[int, ...]
    share: float
    bold: int
    most_bold: int
    loose: tuple[str, ...]

    def over(self) -> list[str]:
        """What breaks a limit of the second edition, a phrase each."""
        methods = sum(lines >= 6 for lines in self.exercises)
        limits = {
            f"{self.core_words} words in the core (2,500 at most)": self.core_words > 2500,
            f"{self.words} words (4,500 at most)": self.words > 4500,
            f"{self.lines} lines of code (750 at most)": self.lines > 750,
            f"{len(self.exercises)} exercises (4 at least)": len(self.exercises) < 4,
            f"{methods} of {len(self.exercises)} exercises of 6 lines or more (half at least)": (
                2 * methods < len(self.exercises)
            ),
            f"{self.bold} bold numbers (40 at most)": self.bold > 40,
            f"{self.most_bold} bold numbers in a paragraph (4 at most)": self.most_bold > 4,
            f"tolerances above 15%: {', '.join(self.loose)}": bool(self.loose),
        }
        return [text for text, broken in limits.items() if broken]


BOLD = re.compile(r"\*\*[-+−]?(\d[\d,]*\.?\d*)%?\*\*")
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?) *### END SOLUTION", re.S)


def form(notebook: NotebookNode) -> Form:
    """Counts a solved notebook."""
    prose, core, code, method = [], [], [], []
    in_core, exercises, loose = True, [], []
    for cell in notebook.cells:
        text = cell.source
        if cell.cell_type == "markdown":
            text = re.sub(r"<details>.*?</details>", "", text, flags=re.S)
            in_core = in_core and not re.search(r"^## .*going deeper", text, re.I | re.M)
            if "solution-only" in tags(cell):
                continue
            prose.append(text)
            core += [text] if in_core else []
        elif "numbers" in tags(cell):
            loose += [label for label, value, within in _claims(text) if within > 0.15 * abs(value)]
        else:
            lines = _lines(text)
            if not _answer(cell):
                exercises += [len(_lines(solution)) for solution in SOLUTION.findall(text)]
            code += [line for line in lines if "### " not in line]
            if not {"setup", "check"} & set(tags(cell)):
                method += [line for line in lines if not re.match(r"(from|import) |### ", line)]
    paragraphs = "\n\n".join(prose).split("\n\n")
    bold = [len(BOLD.findall(paragraph)) for paragraph in paragraphs]
    return Form(
        core_words=sum(len(text.split()) for text in core),
        words=sum(len(text.split()) for text in prose),
        lines=len(code),
        exercises=tuple(exercises),
        share=sum(exercises) / max(1, len(method)),
        bold=sum(bold),
        most_bold=max(bold, default=0),
        loose=tuple(loose),
    )


def _lines(code: str) -> list[str]:
    return [line.strip() for line in code.splitlines() if line.strip()]


def _claims(code: str) -> list[tuple[str, float, float]]:
    """(label, text, within) of each `claim` in a cell's source."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "claim":
            given = {word.arg: word.value for word in node.keywords}
            numbers = (float(ast.literal_eval(given[name])) for name in ("text", "within"))
            found.append((ast.unparse(node.args[0]).strip("'"), *numbers))
    return found


def forms() -> dict[str, Form]:
    """Lesson's number -> its form."""
    return {lesson.number: form(solved_notebook(lesson)) for lesson in LESSONS}


def print_forms() -> None:
    """Prints the statistics of form, and for lessons of the second edition what breaks a limit."""
    head = (
        "words core/all, lines, exercises (lines of each), learner's share, bold, tolerances >15%"
    )
    print(f"lesson  {head}")
    for number, found in forms().items():
        sizes = " ".join(map(str, found.exercises))
        print(
            f"{shown(number):6}  {found.core_words}/{found.words}, {found.lines}, "
            f"{len(found.exercises)} ({sizes}), {found.share:.0%}, {found.bold}, {len(found.loose)}"
        )
        for text in found.over():
            print(f"        over: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m solutions.make")
    command = parser.add_subparsers(dest="command", required=True)
    command.add_parser("sync", help="say whether everything generated is up to date")
    command.add_parser("form", help="print the statistics of form, a line a lesson")
    fill = command.add_parser("blanks", help="bring everything generated up to date")
    fill.add_argument("only", nargs="?", help="the number of one lesson")
    fill.add_argument("--run", action="store_true", help="run solved lessons again")
    command.add_parser("run", help="run one solved lesson").add_argument("number")
    arguments = parser.parse_args()
    if arguments.command == "blanks":
        blanks(run=arguments.run, only=arguments.only)
    elif arguments.command == "run":
        run(arguments.number)
    elif arguments.command == "form":
        print_forms()
    elif lines := out_of_sync():
        raise SystemExit("\n".join([*lines, "Run `make blanks`, and commit what it writes."]))
    else:
        print("Everything generated is up to date.")


if __name__ == "__main__":
    main()
