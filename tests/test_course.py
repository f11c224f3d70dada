"""The notebooks as files: generated, executed, checked, and held to their own text."""

import ast
import re
import subprocess
import sys

import jupytext
import nbformat
import pytest

from utils import course
from utils.course import LESSONS, NOTEBOOKS, ROOT, SOLUTIONS

WRITTEN = [lesson for lesson in LESSONS if lesson.is_written]
each_lesson = pytest.mark.parametrize("lesson", WRITTEN, ids=lambda lesson: lesson.stem)


def cells(folder: str, lesson, kind: str | None = None) -> list:
    found = nbformat.read(ROOT / folder / f"{lesson.stem}.ipynb", 4).cells
    return [cell for cell in found if kind in (None, cell.cell_type)]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def calls(source: str, name: str) -> list[ast.Call]:
    """The calls of a function by its bare name in a cell's source."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [node for node in nodes if getattr(node.func, "id", None) == name]


def test_everything_generated_is_up_to_date():
    assert course.out_of_sync() == []


def test_a_changed_blank_is_noticed(tmp_path, monkeypatch):
    """The gate itself must be able to fail."""
    lesson = WRITTEN[0]
    for folder in (SOLUTIONS, NOTEBOOKS, ".jupyter", "utils"):
        (tmp_path / folder).mkdir()
    for name in ("pyproject.toml", "README.md", ".jupyter/blank.py", f"{NOTEBOOKS}/README.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for folder, suffix in [(SOLUTIONS, ".py"), (SOLUTIONS, ".ipynb"), (NOTEBOOKS, ".ipynb")]:
        name = f"{folder}/{lesson.stem}{suffix}"
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setattr(course, "LESSONS", (lesson,))
    monkeypatch.setattr(course, "generated_texts", lambda: {})
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert course.out_of_sync() == []
    solved = tmp_path / SOLUTIONS / f"{lesson.stem}.ipynb"
    source = solved.with_suffix(".py")
    source.write_text(
        source.read_text().replace("cfg = model.cfg", "cfg = model.cfg  # changed", 1)
    )
    assert "its outputs come from other code" in "\n".join(course.out_of_sync())
    blank = tmp_path / NOTEBOOKS / f"{lesson.stem}.ipynb"
    blank.write_text(blank.read_text().replace("raise NotImplementedError", "return None", 1))
    (tmp_path / NOTEBOOKS / "99_orphan.ipynb").write_text("{}")
    found = "\n".join(course.out_of_sync())
    assert '+    "    raise NotImplementedError' in found and "99_orphan" in found


@each_lesson
def test_a_solved_notebook_is_executed_in_order_and_small(lesson):
    code = cells(SOLUTIONS, lesson, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    figures = [o for o in outputs if "application/vnd.plotly.v1+json" in o.get("data", {})]
    assert figures, "a lesson shows its results"
    for figure in figures:  # for pages that run no scripts, and for readers who do not see
        assert "image/png" in figure.data and figure.metadata["image/png"]["alt"]
    for cell in code:
        if {"check", "nbval-check-output", "numbers"} & set(tags(cell)):
            assert cell.outputs or "assert" in cell.source, f"nothing to compare: {cell.source}"
    assert (ROOT / SOLUTIONS / f"{lesson.stem}.ipynb").stat().st_size < 2_000_000


@each_lesson
def test_a_blank_keeps_its_exercises_and_gives_nothing_away(lesson):
    solved, blank = cells(SOLUTIONS, lesson), cells(NOTEBOOKS, lesson)
    n_exercises = sum("### BEGIN SOLUTION" in cell.source for cell in solved)
    stubs = [cell for cell in blank if "raise NotImplementedError  # your code" in cell.source]
    assert n_exercises == len(stubs) == sum("check" in tags(cell) for cell in blank) > 0
    assert not [c for c in blank if c.cell_type == "code" and (c.outputs or c.execution_count)]
    assert "widgets" not in nbformat.read(ROOT / NOTEBOOKS / f"{lesson.stem}.ipynb", 4).metadata
    assert not [c for c in blank if "BEGIN SOLUTION" in c.source or "solution-only" in tags(c)]


@each_lesson
def test_each_exercise_has_minutes_a_difficulty_two_hints_and_a_folded_solution(lesson):
    blank = cells(NOTEBOOKS, lesson)
    headings = re.findall(r"^### Exercise \d+ · .*$", "\n".join(c.source for c in blank), re.M)
    hints = [cell for cell in blank if "hints" in tags(cell)]
    checks = [cell for cell in blank if "check" in tags(cell)]
    assert len(headings) == len(hints) == len(checks)
    assert all(re.search(r"\(\d+ minutes, (easy|medium|hard)\)$", line) for line in headings)
    for cell in hints:
        names = re.findall(r"<details><summary>(.*?)</summary>", cell.source)
        assert names == ["Hint 1", "Hint 2", "Solution"]
        assert cell.source.count("</details>") == 3
        assert "def " in cell.source.split("Solution</summary>")[1]


@each_lesson
def test_the_set_up_cell_is_the_same_everywhere_and_short(lesson):
    for folder in (SOLUTIONS, NOTEBOOKS):
        (setup,) = [cell for cell in cells(folder, lesson, "code") if "setup" in tags(cell)]
        assert setup.source == course.setup_cell()
        assert len([line for line in setup.source.splitlines() if line]) <= 8


@each_lesson
def test_every_measured_number_in_the_text_is_asserted(lesson):
    """A number in bold is a measured one, and some `claim(..., text=...)` holds it."""
    found = cells(SOLUTIONS, lesson)
    claimed = set()
    for cell in found:
        if cell.cell_type == "code" and calls(cell.source, "claim"):
            assert "numbers" in tags(cell), f"tag this cell `numbers`: {cell.source}"
            for call in calls(cell.source, "claim"):
                text = next(word.value for word in call.keywords if word.arg == "text")
                claimed.add(abs(float(ast.literal_eval(text))))
    prose = "\n".join(cell.source for cell in found if cell.cell_type == "markdown")
    bold = {
        abs(float(number.replace(",", "")))
        for number in re.findall(r"\*\*[-+−]?(\d[\d,]*\.?\d*)%?\*\*", prose)
    }
    assert bold and bold == claimed


@each_lesson
def test_no_measured_number_hides_from_the_text_rule(lesson):
    """Decimals in prose are bold (measured), in backticks (constants), or an arXiv id."""
    for cell in cells(SOLUTIONS, lesson, "markdown"):
        text = re.sub(r"`[^`]*`|\]\([^)]*\)|arXiv \d+\.\d+|\*\*[^*]*\*\*", "", cell.source)
        assert not re.findall(r"(?<![\w.])\d*\.\d+", text), f"whose number is this? {cell.source}"


@each_lesson
def test_a_lesson_keeps_the_house_rules(lesson):
    source = (ROOT / SOLUTIONS / f"{lesson.stem}.py").read_text(encoding="utf-8")
    rest = source.replace(course.setup_cell(), "")
    for rule in [
        "sys.path",
        "pio.renderers",
        "pickle",
        "torch.load(",
        "set_grad_enabled",
        "__file__",
    ]:
        assert rule not in rest, f"{rule} has no place in a lesson"
    assert f'progress.show("{lesson.number}")' in source
    for image in re.findall(r"<img[^>]*>|!\[[^\]]*\]", source):
        assert "alt=" in image or len(image) > len("![]"), "an image needs alt text"


def test_utils_imports_no_lesson_and_methods_import_no_plots():
    for path in (ROOT / "utils").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) (solutions|notebooks)\b", source, re.M), path
        if path.parent.name == "checks" or path.name in ("heads.py", "residual.py", "tokens.py"):
            assert not re.search(r"(from|import).*\bplots\b", source), path


def test_nothing_is_pickled():
    found = [
        p.name for p in (ROOT / "data").rglob("*") if p.suffix in (".pt", ".pkl", ".pth", ".bin")
    ]
    assert found == []


def test_the_address_is_written_in_one_place_only():
    """Everywhere else it is generated: in the README, in set-up cells and in badges."""
    owner = course.address().removeprefix("https://github.com/")
    generated = {path.resolve() for path in course.generated_texts()}
    for path in [*ROOT.glob("*"), *(ROOT / "utils").rglob("*.py"), *(ROOT / ".github").rglob("*")]:
        if path.is_file() and path.name != "pyproject.toml" and path.resolve() not in generated:
            assert owner not in path.read_text(encoding="utf-8", errors="ignore"), path


def test_lesson_sources_are_plain_scripts():
    """`make lesson` runs them without IPython: no magics, no `display`."""
    for lesson in WRITTEN:
        notebook = jupytext.read(ROOT / SOLUTIONS / f"{lesson.stem}.py")
        for cell in notebook.cells:
            if cell.cell_type == "code":
                ast.parse(cell.source)
                assert not calls(cell.source, "display")


def test_ruff_is_content():
    for arguments in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "."],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_the_readme_says_what_its_figure_shows():
    figure = (ROOT / "data" / "readme_figure" / "induction_heads.svg").read_text(encoding="utf-8")
    bars = re.findall(r">\+(\d+\.\d)<", figure)
    alt = re.search(r"!\[(.*)\]\(data/readme_figure", (ROOT / "README.md").read_text("utf-8"))[1]
    assert len(bars) == 2 and re.findall(r"\d+\.\d", alt) == bars


def test_stamping_an_empty_set_up_cell_leaves_the_next_cell_alone():
    source = '# %% tags=["setup"]\n\n# %%\nimport torch\n'
    lesson = course.LESSONS[0]
    stamped = course._stamped(source, lesson)
    assert course.setup_cell() in stamped and stamped.endswith("\n\n# %%\nimport torch\n")
    assert course._stamped(stamped, lesson) == stamped
