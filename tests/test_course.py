"""The notebooks as files: generated, executed, checked, and held to their own text."""

import ast
import dis
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbconvert import HTMLExporter

from solutions import make
from solutions.make import LESSONS, NOTEBOOKS, ROOT, SOLUTIONS, tags
from utils import plots, views

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)


def cells(folder: str, lesson, kind: str | None = None) -> list:
    found = nbformat.read(ROOT / folder / f"{lesson.stem}.ipynb", 4).cells
    return [cell for cell in found if kind in (None, cell.cell_type)]


def calls(source: str, name: str) -> list[ast.Call]:
    """The calls of a function by its bare name in a cell's source."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [node for node in nodes if getattr(node.func, "id", None) == name]


def test_everything_generated_is_up_to_date():
    assert make.out_of_sync() == []


def test_a_changed_notebook_is_noticed(tmp_path, monkeypatch):
    """The gate itself must be able to fail."""
    lesson = LESSONS[0]
    for folder, suffix in [(SOLUTIONS, ".py"), (SOLUTIONS, ".ipynb"), (NOTEBOOKS, ".ipynb")]:
        (tmp_path / folder).mkdir(exist_ok=True)
        name = f"{folder}/{lesson.stem}{suffix}"
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(make, "ROOT", tmp_path)
    monkeypatch.setattr(make, "LESSONS", (lesson,))
    monkeypatch.setattr(make, "generated_texts", lambda: {})
    assert make.out_of_sync() == []
    source, line = (
        tmp_path / SOLUTIONS / f"{lesson.stem}.py",
        'paris = model.to_single_token(" Paris")',
    )
    for changed, is_run_again in [
        (f"{line}  # why", False),
        (f"{line} or 0", True),
    ]:
        was = source.read_text(encoding="utf-8")
        source.write_text(was.replace(line, changed, 1), encoding="utf-8")
        found = "\n".join(make.out_of_sync())
        assert "is out of date" in found
        assert ("its outputs come from other code" in found) == is_run_again
    blank = tmp_path / NOTEBOOKS / f"{lesson.stem}.ipynb"
    blank.write_text(blank.read_text().replace("raise NotImplementedError", "return None", 1))
    (tmp_path / NOTEBOOKS / "99_orphan.ipynb").write_text("{}")
    found = "\n".join(make.out_of_sync())
    assert '+    "    raise NotImplementedError' in found and "99_orphan" in found


@each_lesson
def test_a_solved_notebook_is_executed_in_order_and_small(lesson):
    code = cells(SOLUTIONS, lesson, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    figures = [o for o in outputs if make.PLOTLY in o.get("data", {})]
    assert figures, "a lesson shows its results"
    for figure in figures:  # for pages that run no scripts, and for readers who do not see
        assert re.match(r'<img alt="[^"]+" src="data:image/png;base64,', figure.data["text/html"])
    for cell in code:
        if {"check", "nbval-check-output", "numbers"} & set(tags(cell)):
            assert cell.outputs or "assert" in cell.source, f"nothing to compare: {cell.source}"
    assert (ROOT / SOLUTIONS / f"{lesson.stem}.ipynb").stat().st_size < 2_000_000


DEBRIS = re.compile(r"Box\(|Slider\(|Widget|<\S+ object at 0x|^Output\(|^HTML\(value")


@each_lesson
def test_a_saved_page_has_no_debris_of_widgets(lesson):
    assert "widgets" not in nbformat.read(lesson.source.with_suffix(".ipynb"), 4).metadata
    for cell in cells(SOLUTIONS, lesson, "code"):
        for output in [] if "setup" in tags(cell) else cell.outputs:
            data = output.get("data", {})
            assert "application/vnd.jupyter.widget-view+json" not in data, cell.source[:200]
            assert not DEBRIS.search(data.get("text/plain", "")), data["text/plain"][:200]
            still = re.sub(r"<(script|style).*?</\1>", "", data.get("text/html", ""), flags=re.S)
            assert "text/html" not in data or re.search(r"<img|<(?=\w)[^>]*>\s*[^<\s]", still)


def test_debris_of_widgets_is_recognised():
    for text in ["VBox(children=(IntSlider(value=12", "Box(children=(", "Output()", "HTML(value='"]:
        assert DEBRIS.search(text)
    assert not DEBRIS.search("[figure: After 12 moves]")


def test_a_widget_is_saved_as_what_it_shows_at_the_start():
    """As a lesson is saved: the bundle without its widget, its figure with a picture."""
    figure = plots.lines({"a": [1, 2]}, title="Loss & <i>step</i>", x="x", y="y")
    box = types.SimpleNamespace(model_id="0")
    outputs = [
        nbformat.v4.new_output("display_data", views.Live(start, box)._repr_mimebundle_())
        for start in (figure, views.Html("<b>card</b>", "card"))
    ]
    cell = nbformat.v4.new_code_cell("x", outputs=outputs, execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    make._still(notebook)
    make._add_pictures(notebook)
    drawn, card = (output.data for output in cell.outputs)
    assert "widgets" not in notebook.metadata and list(card) == ["text/html", "text/plain"]
    assert make.PLOTLY in drawn and "widget" not in " ".join(drawn)
    if shutil.which("chromium") or shutil.which("google-chrome"):
        assert page_of(notebook).count('alt="Loss &amp;  step "') == 1


def page_of(notebook) -> str:
    """As `jupyter nbconvert --to html` makes it."""
    return HTMLExporter().from_notebook_node(notebook)[0]


def test_alt_text_survives_nbconvert():
    page = page_of(nbformat.read(LESSONS[0].source.with_suffix(".ipynb"), 4))
    pictures = re.findall(r"<img[^>]*>", page)
    assert len([each for each in pictures if "data:image/png" in each]) >= 2
    assert "No description has been provided" not in page
    assert all(re.search(r'alt="[^"]', picture) for picture in pictures)


@each_lesson
def test_a_blank_keeps_its_exercises_and_gives_nothing_away(lesson):
    solved, blank = cells(SOLUTIONS, lesson), cells(NOTEBOOKS, lesson)
    for cell in [*solved, *blank]:
        folded = {"jupyter": {"source_hidden": True}, "cellView": "form"}
        is_folded = bool(make.FOLDED & set(tags(cell)))
        assert is_folded == (folded.items() <= cell.metadata.items()), cell.source[:100]
    assert [t for c in blank for t in tags(c) if t in ("setup", "progress")] == [
        "setup",
        "progress",
    ]
    n_exercises = sum("### BEGIN SOLUTION" in cell.source for cell in solved)
    stubs = [c for c in blank if re.search("= [.]{3}  # your answer|Error  # your code", c.source)]
    assert n_exercises == len(stubs) == sum("check" in tags(cell) for cell in blank) > 0
    assert not [c for c in blank if c.cell_type == "code" and (c.outputs or c.execution_count)]
    assert "widgets" not in nbformat.read(ROOT / NOTEBOOKS / f"{lesson.stem}.ipynb", 4).metadata
    assert not [c for c in blank if "BEGIN SOLUTION" in c.source]
    assert not [c for c in blank if {"solution-only", "numbers"} & set(tags(c))]


@each_lesson
def test_each_exercise_has_minutes_a_difficulty_two_hints_and_a_solution_apart(lesson):
    """Who opens the source of the hints, by a double click, does not see the solution."""
    blank = cells(NOTEBOOKS, lesson)
    headings = re.findall(
        r"^### (?:Exercise \d+|Investigation) · .*$", "\n".join(c.source for c in blank), re.M
    )
    hints = [cell for cell in blank if "hints" in tags(cell)]
    checks = [cell for cell in blank if "check" in tags(cell)]
    assert len(headings) == len(hints) == len(checks)
    assert all(re.search(r"\(\d+ minutes, (easy|medium|hard)\)$", line) for line in headings)
    for cell in hints:
        names = re.findall(r"<details><summary>(.*?)</summary>", cell.source)
        assert names == ["Hint 1", "Hint 2"]
        assert cell.source.count("</details>") == 2
        solution = blank[blank.index(cell) + 1]
        assert tags(solution) == ["solution"] and solution.cell_type == "markdown"
        assert re.match(r"<details><summary>Solution</summary>\n\n```python\n", solution.source)
        assert re.search("^def |^[a-z_]+ = ", solution.source, re.M)
        assert solution.source.endswith("</details>")


@each_lesson
def test_the_set_up_cell_is_the_same_everywhere_and_short(lesson):
    for folder in (SOLUTIONS, NOTEBOOKS):
        (setup,) = [cell for cell in cells(folder, lesson, "code") if "setup" in tags(cell)]
        assert setup.source == make.setup_cell()
        assert len([line for line in setup.source.splitlines() if line]) <= 10


def test_one_can_walk_the_course_by_its_links():
    """Head and foot lead to the map, the lesson before and the one after; on Colab too."""
    walked = []
    for i, lesson in enumerate(LESSONS):
        for folder, home in [(SOLUTIONS, "../notebooks/README.md"), (NOTEBOOKS, "README.md")]:
            text = cells(folder, lesson, "markdown")
            lines = re.findall(r"^\*\*Map:\*\* .*$", "\n".join(c.source for c in text), re.M)
            assert len(lines) == 2 and lines[0] == lines[1]
            assert "**Map:**" in text[0].source and "**Map:**" in text[-1].source
            links = dict(re.findall(r"\*\*(\w+):\*\* \[[^]]*\]\(([^)]*)\)", lines[0]))
            near = {"Previous": LESSONS[i - 1 : i] if i else [], "Next": LESSONS[i + 1 : i + 2]}
            near = {step: f"{found[0].stem}.ipynb" for step, found in near.items() if found}
            assert links == {"Map": home, **near}
            colab = re.findall(r"https://colab\.[^)]*/blob/main/notebooks/([^)]*)\)", lines[0])
            assert colab == list(near.values()) and f"({make.address()}#" in lines[0]
        walked.append(links.get("Next"))
    assert walked == [*(f"{lesson.stem}.ipynb" for lesson in LESSONS[1:]), None]


@each_lesson
def test_papers_are_links_and_none_is_linked_twice(lesson):
    for folder in (SOLUTIONS, NOTEBOOKS):
        text = "\n".join(cell.source for cell in cells(folder, lesson, "markdown"))
        text = re.sub(r"```.*?```", "", text, flags=re.S)
        for before, number in re.findall(r"(\[?)arXiv (\d{4}\.\d+)", text):
            assert before and f"[arXiv {number}](https://arxiv.org/abs/{number})" in text
        assert "[[arXiv" not in text


def test_the_map_has_time_needs_and_exercises():
    shown = make.course_map().splitlines()
    assert shown[0] == "|  | lesson | time | needs | with outputs | exercises |"
    row = next(line for line in shown if "11_induction_heads.ipynb" in line)
    assert row.startswith("| 1.1 |") and row.endswith(
        "| 60 minutes, and 25 to go deeper | 00 | [solved](../solutions/11_induction_heads.ipynb)"
        " | 5 |"
    )
    assert all(lesson.time and lesson.needs for lesson in LESSONS)


@each_lesson
def test_predictions_are_asked_before_they_are_scored(lesson):
    asked: dict[str, list[str]] = {}
    scored = set()
    for cell in make.solved_notebook(lesson).cells:
        for call in calls(cell.source, "predict") if cell.cell_type == "code" else []:
            key = ast.literal_eval(call.args[0])
            assert key.startswith(f"{lesson.number}.") and key not in asked
            choices = [word.value for word in call.keywords if word.arg == "choices"]
            asked[key] = ast.literal_eval(choices[0]) if choices else []
        for call in calls(cell.source, "outcome") if cell.cell_type == "code" else []:
            key = ast.literal_eval(call.args[0])
            assert key in asked, f"{key} is scored before it is asked"
            said = [n.value for n in ast.walk(call.args[1]) if isinstance(n, ast.Constant)]
            assert {text for text in said if isinstance(text, str)} <= set(asked[key])
            scored.add(key)
    assert scored == set(asked)


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


LESSON = r"(?:00|\d\.\d)(?:(?:, | and | to | or |, and )\d\.\d)*"
NOT_MEASURED = re.compile(
    r"`[^`]*`|\]\([^)]*\)|arXiv \d+\.\d+|\*\*[^*]*\*\*"
    rf"|[Ll]essons?\s{LESSON}|^# \d\.\d ·|\[?\d\.\d · |[;,] \d\.\d(?: and \d\.\d)?: ",
    re.M,
)


@each_lesson
def test_no_measured_number_hides_from_the_text_rule(lesson):
    """Decimals in prose are bold (measured), in backticks (constants), or an arXiv id."""
    for cell in cells(SOLUTIONS, lesson, "markdown"):
        text = re.sub(NOT_MEASURED, "", cell.source)
        assert not re.findall(r"(?<![\w.])\d*\.\d+", text), f"whose number is this? {cell.source}"


@each_lesson
def test_a_lesson_keeps_the_house_rules(lesson):
    source = (ROOT / SOLUTIONS / f"{lesson.stem}.py").read_text(encoding="utf-8")
    rest = source.replace(make.setup_cell(), "")
    for rule in [
        "sys.path",
        "pio.renderers",
        "pickle",
        "torch.load(",
        "set_grad_enabled",
        "__file__",
    ]:
        assert rule not in rest, f"{rule} has no place in a lesson"
    assert f'show_progress("{lesson.number}")' in source
    for image in re.findall(r"<img[^>]*>|!\[[^\]]*\]", source):
        assert "alt=" in image or len(image) > len("![]"), "an image needs alt text"


@each_lesson
def test_a_table_or_figure_ends_its_cell(lesson):
    """Jupyter shows a cell's last expression: one before it is built and never seen."""
    for cell in cells(SOLUTIONS, lesson, "code"):
        for statement in ast.parse(cell.source).body[:-1]:
            if isinstance(statement, ast.Expr):
                shown = ast.unparse(statement)
                assert not shown.startswith(("plots.", "figures.")), shown


@each_lesson
def test_cells_of_numbers_are_not_needed_by_others(lesson):
    """Blanks go without them: no other cell may read what they define, nor miss their draws."""
    only_there: set[str] = set()
    generators: set[str] = set()
    for cell in make.solved_notebook(lesson).cells:
        if cell.cell_type == "code":
            read, defined = names(compile(cell.source, "cell", "exec"))
            if "numbers" in tags(cell):
                only_there |= defined
                assert not generators & read, f"draws in a cell of numbers: {cell.source[:200]}"
            else:
                generators |= set(re.findall(r"^(\w+) = torch\.Generator\(", cell.source, re.M))
                needed = only_there & (read - defined)
                assert not needed, f"{needed} of a cell of numbers, needed by: {cell.source[:200]}"
                only_there -= defined


def names(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The global names that a piece of code reads, its functions' too, and those it defines."""
    steps = list(dis.get_instructions(code))
    read = {step.argval for step in steps if step.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            read |= names(inner)[0]
    return read, {step.argval for step in steps if step.opname == "STORE_NAME"}


@each_lesson
def test_a_lesson_goes_on_with_what_the_check_returns(lesson):
    """Between an exercise and its check nothing uses the name, nor ever where none is returned."""
    checks = {
        c.exercise: c
        for c in vars(importlib.import_module(f"utils.checks.lesson_{lesson.number}")).values()
        if hasattr(c, "verdict")
    }
    open_names: set[str] = set()
    for cell in make.blank_notebook(make.solved_notebook(lesson)).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        read, defined = names(compile(tree, "cell", "exec"))
        if "check" in tags(cell):
            (name,) = open_names & read
            has_version = checks[name].path == "" or "." in checks[name].path
            assert (name in defined) == has_version, f"`{name} = ...check_{name}({name})`"
            open_names -= defined
        else:
            assert not open_names & read, f"a learner may not have these yet: {cell.source[:300]}"
        if "raise NotImplementedError  # your code here" in cell.source:
            open_names |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        elif "...  # your answer here" in cell.source:
            open_names |= defined


def parts_of(lesson) -> str:
    return {"0": "circuits", "1": "circuits", "2": "reading", "3": "writing", "4": "features"}.get(
        lesson.number[0], "cases"
    )


@each_lesson
def test_a_lesson_imports_from_its_part_or_an_earlier_one(lesson):
    """What `lint-imports` holds for packages, for the lessons."""
    rooms = ["circuits", "reading", "writing", "features", "cases"]
    later = rooms[rooms.index(parts_of(lesson)) + 1 :]
    source = lesson.source.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for room in later:
            assert not [n for n in names if n.split(".")[:2] == ["utils", room]], names


def test_rooms_depend_one_way():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    core = {f"utils.{path.stem}" for path in (ROOT / "utils").glob("*.py")} - {"utils.__init__"}
    assert set(contracts[1]["source_modules"]) == core, "a contract lists the core's modules"
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_core_stays_small():
    lines = [len(path.read_text("utf-8").splitlines()) for path in (ROOT / "utils").glob("*.py")]
    assert sum(lines) < 2000


def test_no_two_public_things_have_one_name():
    found: dict[str, list[str]] = {}
    for path in [*(ROOT / "utils").rglob("*.py"), *(ROOT / "data").glob("*/task.py")]:
        if "checks" not in path.parts:
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                targets = node.targets if isinstance(node, ast.Assign) else [node]
                for name in (getattr(each, "name", getattr(each, "id", "_")) for each in targets):
                    found.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    twice = {name: at for name, at in found.items() if len(at) > 1 and not name.startswith("_")}
    assert twice == {}


def _body(function: ast.FunctionDef) -> str:
    """A function's code without its docstring, names of arguments and annotations kept."""
    return "\n".join(ast.dump(node) for node in function.body[1:])


def test_no_exercise_is_written_twice():
    """A solution that reads like the course's version is stamped from there."""
    twice = set()
    for lesson in LESSONS:
        for cell in jupytext.read(lesson.source).cells:
            is_stamped = any(tag.startswith("exercise:") for tag in tags(cell))
            if "### BEGIN SOLUTION" in cell.source and not is_stamped:
                for node in ast.parse(cell.source).body:
                    if isinstance(node, ast.FunctionDef) and _body(node) in library_bodies():
                        twice.add(node.name)
    assert twice == set()


def library_bodies() -> set[str]:
    paths = [*(ROOT / "utils").rglob("*.py"), *(ROOT / "data").glob("*/task.py")]
    trees = [ast.parse(p.read_text(encoding="utf-8")) for p in paths if "checks" not in p.parts]
    nodes = [node for tree in trees for node in tree.body]
    return {_body(node) for node in nodes if isinstance(node, ast.FunctionDef)}


def test_nothing_is_pickled():
    found = [
        p.name for p in (ROOT / "data").rglob("*") if p.suffix in (".pt", ".pkl", ".pth", ".bin")
    ]
    assert found == []


def test_the_address_is_written_in_one_place_only():
    """Everywhere else it is generated: in the README, in set-up cells and in badges."""
    owner = make.address().removeprefix("https://github.com/")
    generated = {path.resolve() for path in make.generated_texts()}
    for path in [*ROOT.glob("*"), *(ROOT / "utils").rglob("*.py"), *(ROOT / ".github").rglob("*")]:
        if path.is_file() and path.name != "pyproject.toml" and path.resolve() not in generated:
            assert owner not in path.read_text(encoding="utf-8", errors="ignore"), path


def test_lesson_sources_are_plain_scripts():
    """`make lesson` runs them without IPython: no magics, no `display`."""
    for lesson in LESSONS:
        notebook = jupytext.read(lesson.source)
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
    lesson = make.LESSONS[0]
    stamped = make._stamped(source, lesson)
    assert make.setup_cell() in stamped and stamped.endswith("\n\n# %%\nimport torch\n")
    assert make._stamped(stamped, lesson) == stamped


@each_lesson
def test_a_lesson_keeps_the_limits_of_form(lesson):
    assert make.form(make.solved_notebook(lesson)).over() == []


def test_form_counts_what_it_says():
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    solution = "def f():\n    ### BEGIN SOLUTION\n    a = 1\n\n    return a\n    ### END SOLUTION"
    claims = 'claim("x", x, text=2.0, within=0.31)\nclaim("y", y, text=-2.0, within=0.3)'
    numbers = code(claims, metadata={"tags": ["numbers"]})
    found = make.form(
        nbformat.v4.new_notebook(
            cells=[
                markdown("one **2.0** and **-2.0**\n\nfour"),
                code("import torch"),
                code(solution),
                code("f()"),
                numbers,
                markdown("## Going deeper: five\n\n<details>not counted</details>six"),
            ]
        )
    )
    assert (found.core_words, found.words, found.lines) == (5, 10, 5)
    assert (found.exercises, found.share) == ((2,), 2 / 4)
    assert (found.bold, found.most_bold, found.loose) == (2, 2, ("x",))
    assert len(found.over()) == 3  # too few exercises, none of them a method, a loose tolerance


def test_an_investigation_s_answer_is_left_out_of_a_blank_and_folded_below_its_hints():
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    about = {"tags": ["answer:head"]}
    cell = code("### BEGIN SOLUTION\nhead = (4, 1)\n### END SOLUTION", metadata=about)
    solved = nbformat.v4.new_notebook(cells=[cell, markdown("", metadata={"tags": ["hints"]})])
    solved.metadata["kernelspec"] = {}
    blank = make.blank_notebook(solved)
    assert [c.source.count("(4, 1)") for c in blank.cells] == [0, 0, 1]
    assert blank.cells[0].source == "head = ...  # your answer here"
    assert make.form(solved).exercises == ()


def test_a_stamped_exercise_is_the_course_s_own_code():
    path = "utils.circuits.induction.stripe_scores"
    code = make.exercise_code(path)
    module, _, name = path.rpartition(".")
    function = next(
        node
        for node in ast.parse(code).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    assert _body(function) in library_bodies()
    assert code.count("### BEGIN SOLUTION") == code.count("### END SOLUTION") == 1
    assert importlib.import_module(module).stripe_scores.__doc__ in code
