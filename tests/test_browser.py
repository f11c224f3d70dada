"""What a learner sees: a real JupyterLab, started as `make lab` starts it, in a real browser."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright

from solutions import make

ROOT = Path(__file__).resolve().parents[1]
ARTIFACTS = ROOT / "tests" / "artifacts"
SOLVED = "00_meet_the_model"
LESSON, EXERCISE = "11_induction_heads", "utils.circuits.induction.stripe_scores"
BADGE = re.search(r"https://\S+\.svg", make.colab_badge(make.LESSONS[1]))[0]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")

# Chromium's own errands would otherwise be the only traffic that leaves the machine.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]

# Notes every dialog and pop-up, the short-lived ones too, and the words that are drawn as pictures.
WATCH = """
window.words = new Set();
const fillText = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
  window.words.add(text);
  return fillText.call(this, text, ...where);
};
window.greetings = [];
new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) {
    if (!(node instanceof Element)) continue;
    for (const kind of [".jp-Dialog", ".Toastify__toast"]) {
      const found = node.matches(kind) ? node : node.querySelector(kind);
      if (found) window.greetings.push(kind + ": " + found.innerText.slice(0, 200));
    }
  }
}).observe(document, {childList: true, subtree: true});
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder to write in, as a learner's clone has it."""
    folder = tmp_path_factory.mktemp("course")
    caches = shutil.ignore_patterns("__pycache__")
    for name in [".jupyter", "notebooks", "utils"]:
        shutil.copytree(ROOT / name, folder / name, ignore=caches)
    for name in ["Makefile", "pyproject.toml"]:
        shutil.copy(ROOT / name, folder / name)
    (folder / "solutions").mkdir()
    shutil.copy(ROOT / "solutions" / "work.py", folder / "solutions" / "work.py")
    shutil.copy(ROOT / "solutions" / f"{SOLVED}.ipynb", folder / "solutions")
    (folder / "data").symlink_to(ROOT / "data")
    for lesson in make.LESSONS:
        blank = make.blank_notebook(make.solved_notebook(lesson))
        nbformat.write(blank, folder / "notebooks" / f"{lesson.stem}.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(course):
    """The address of a running JupyterLab, and the address that it offers the learner."""
    own = course / "own"
    own.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = dict(
        os.environ,
        # The tester's own settings and progress: neither read nor written.
        JUPYTER_CONFIG_DIR=str(own / "config"),
        JUPYTER_DATA_DIR=str(own / "data"),
        JUPYTER_RUNTIME_DIR=str(own / "runtime"),
        JUPYTERLAB_WORKSPACES_DIR=str(own / "workspaces"),
        IPYTHONDIR=str(own / "ipython"),
        HEADS_TO_FEATURES_DATA=str(own / "progress"),
    )
    command = ["make", "-s", "--assume-old=model", "lab", f"VENV={own}"]
    command += [f"BIN={Path(sys.executable).parent}"]
    options = "--no-browser --allow-root --expose-app-in-browser --ServerApp.port_retries=0"
    command += [f"ARGS={options} --port={port}"]
    log = own / "lab.log"
    with open(log, "w") as sink:
        server = subprocess.Popen(command, cwd=course, env=env, stdout=sink, stderr=sink)
    try:
        address = _when(
            lambda: re.search(rf"http://127.0.0.1:{port}/\S+", log.read_text()),
            lambda: f"JupyterLab did not start:\n{log.read_text()}",
            seconds=60,
        )[0]
        yield address
    finally:
        token = re.search(r"token=(\w+)", log.read_text())
        if token and server.poll() is None:
            stop = f"http://127.0.0.1:{port}/api/shutdown?token={token[1]}"
            urllib.request.urlopen(urllib.request.Request(stop, method="POST"), timeout=30)
        server.terminate() if token is None else None
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, request):
    """A page that reaches this machine only; `page.asked` lists what it wanted from elsewhere."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    asked = []

    def route(route):
        if urlsplit(route.request.url).hostname in {"127.0.0.1", "localhost"}:
            return route.continue_()
        asked.append(route.request.url)
        return route.abort()

    context.route("**/*", route)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.asked = asked
    page.on("websocket", lambda ws: "//127.0.0.1:" in ws.url or asked.append(ws.url))
    yield page
    _screenshot(page, f"{request.node.name}_end")
    context.close()


def _when(ready, complaint, *, seconds: float):
    """What `ready()` returns, as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := ready():
            return value
        time.sleep(0.5)
    pytest.fail(complaint())


def _screenshot(page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def _show(page, part, name: str) -> None:
    """Brings `part` to the middle of the window, and keeps a screenshot."""
    part.scroll_into_view_if_needed(timeout=30_000)
    for _ in range(2):  # figures above it are drawn as they come into view, and push it down
        page.wait_for_timeout(400)
        part.evaluate("(element) => element.scrollIntoView({block: 'center'})")
    expect(part).to_be_in_viewport()
    _screenshot(page, name)


def _unwanted(page) -> list[str]:
    """What greets a learner and should not: dialogs and pop-ups."""
    return page.evaluate("window.greetings")


def _look(page, *, theme: str, width: int) -> None:
    """A window of that width in that theme."""
    page.set_viewport_size({"width": width, "height": 900})
    change = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    page.evaluate(change, f"JupyterLab {theme.capitalize()}")
    page.wait_for_function(
        f"document.body.dataset.jpThemeLight == '{str(theme == 'light').lower()}'"
    )
    page.wait_for_timeout(1_500)  # figures are drawn anew


def _ready(page):
    """The notebook in front, once its kernel is idle."""
    notebook = page.locator(".jp-NotebookPanel:visible")
    ready = notebook.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    expect(ready).to_be_visible(timeout=60_000)
    # JupyterLab forgets what is run before the kernel is there; the status bar knows when it is.
    kernel_is_there = re.compile(r"Python 3.*\| Idle")
    expect(page.locator("#jp-main-statusbar")).to_contain_text(kernel_is_there, timeout=60_000)
    return notebook


def _open(page, path: str):
    """A notebook, opened, once its kernel is idle."""
    open_it = "(path) => window.jupyterapp.commands.execute('docmanager:open', {path})"
    page.evaluate(open_it, path)
    tab = page.locator(".lm-mod-current .lm-TabBar-tabLabel", has_text=path.rpartition("/")[2])
    expect(tab.first).to_be_visible()
    return _ready(page)


def _solve(page, cell, code: str, said: str) -> None:
    """Types a function into its cell, runs it and the check below, and reads the verdict."""
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    verdict = page.locator(".jp-NotebookPanel:visible [role=status]", has_text="stripe_scores:")
    expect(verdict).to_contain_text(said, timeout=60_000)


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1024)])
def test_a_learner_walks_from_the_map_to_the_first_exercise(lab, page, course, theme, width):
    """Map, 00, on to 1.1 by the link, a prediction, an exercise done wrongly and then rightly."""
    (course / "own" / "progress" / "progress.json").unlink(missing_ok=True)
    for copy in (course / "work").glob("*.ipynb"):
        copy.unlink()
    renew = [sys.executable, "-m", "solutions.work", "reset"]
    for number in ("00", "11"):
        subprocess.run([*renew, number], cwd=course, check=True, capture_output=True)

    page.goto(lab + "&reset")
    shown = page.locator(".jp-MarkdownViewer .jp-RenderedMarkdown")
    expect(shown.locator("h1")).to_be_visible(timeout=60_000)
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)
    assert urlsplit(page.url).path == "/lab/tree/work/README.md"
    _look(page, theme=theme, width=width)
    expect(shown).to_contain_text("0/7")
    _screenshot(page, f"map_{theme}_{width}")

    shown.locator("a[href*=meet_the_model]").first.click()
    page.locator(".jp-NotebookPanel:visible a", has_text="1.1 · Induction heads").first.click()
    expect(page.locator(".lm-mod-current .lm-TabBar-tabLabel", has_text=LESSON)).to_be_visible()
    notebook = _ready(page)
    notebook.locator(".jp-MarkdownCell h1").click()
    for _ in range(7):  # title, set-up, play, text, diagram, text, prediction
        page.keyboard.press("Shift+Enter")
    choice = notebook.locator(".htf-predict").first
    expect(choice).to_be_visible(timeout=120_000)
    choice.locator("label", has_text="higher").click()
    choice.locator("button").click()
    expect(choice).to_contain_text("Committed: higher")
    _show(page, choice, f"predictions_{theme}_{width}")

    right = re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", make.exercise_code(EXERCISE))
    wrong = right.replace("queries - back", "queries + 1 - back")
    assert wrong != right
    cell = notebook.locator(".jp-CodeCell", has_text="def stripe_scores(").first
    cell.scroll_into_view_if_needed()
    _solve(page, cell, wrong, "wrong")
    verdict = notebook.locator("[role=status]", has_text="stripe_scores:")
    _show(page, verdict, f"wrong_{theme}_{width}")
    _solve(page, cell, right, "correct")
    _show(page, verdict, f"correct_{theme}_{width}")
    assert re.search(r"\| 1/\d+ \|", (course / "work" / "README.md").read_text(encoding="utf-8"))

    hints = notebook.locator(".jp-MarkdownCell", has_text="Hint 1").first
    solution = notebook.locator(".jp-MarkdownCell", has_text="Solution").first
    expect(solution.locator("pre")).to_be_hidden()
    hints.locator(".jp-RenderedMarkdown").dblclick(position={"x": 400, "y": 5})
    expect(hints.locator(".cm-content")).to_be_visible()
    assert "def stripe_scores" not in hints.inner_text()
    _screenshot(page, f"hints_{theme}_{width}")

    assert _unwanted(page) == []
    # The Colab badge is a picture from elsewhere; offline its text stands in for it.
    assert set(page.asked) <= {BADGE}


# What lessons show, without a model: a figure, CircuitsVis, a slider over boards, a prediction with
# its outcome, the strip.
GALLERY = [
    """\
import sys; sys.path.insert(0, "..")
import torch
from data.othello import task as othello
from utils import plots
from utils.checks.predict import answer, outcome, predict
from utils.checks.progress import record, show_progress
from utils.circuits import figures
from utils.reading import figures as boards
from utils import lesson
lesson.begin()
draw = torch.Generator().manual_seed(0)""",
    """\
pattern = torch.rand(3, 9, 9, generator=draw).tril().pow(4)
tokens = ["<|im_start|>", " alpha", " beta", " of", "ing", " alpha", " beta", " of", "ing"]
figures.attention_heads(pattern, tokens, names=["L16H0", "L18H6", "L18H8"])""",
    """\
scores = torch.rand(30, 9, generator=draw)
plots.heatmap(scores, title="Scores", x="head", y="layer", label="score")""",
    """\
row = torch.tensor([0.5, 0.2, 0.9])
both = {"effect": {"steered": row, "asked": row - 1}, "cost": {"asked": row}}
plots.intervals(both, title="Both")""",
    """\
board = othello.replay(othello.random_games(1, generator=draw)).board[0]
def after(t):
    shade = {"guess": [i / 36 for i in range(36)]}
    both = {"game": board[t], "guess": board[t]}
    return boards.boards(both, title=f"After {t} moves", shade=shade, marked={"guess": [7, 35]})
boards.slider(after, n=31, label="moves", at=12)""",
    """\
answer("11.repeat", 2.5)
outcome("11.repeat", 3.0, factor=1.5)
predict("11.more", "Which head looks one token back?", choices=["L16H0", "L18H6"])
record("stripe_scores")
show_progress("11")""",
]


def test_what_lessons_show_can_be_seen_in_any_theme_and_width(lab, page, course):
    cells = [nbformat.v4.new_code_cell(source) for source in GALLERY]
    path = course / "work" / "gallery.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    page.goto(lab + "&reset")
    expect(page.locator(".jp-MarkdownViewer h1")).to_be_visible(timeout=60_000)
    notebook = _open(page, f"work/{path.name}")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    expect(notebook.locator(".htf-progress")).to_be_visible(timeout=120_000)
    assert notebook.locator(".jp-OutputArea [data-mime-type*=stderr]").all_inner_texts() == []

    pattern = notebook.locator(".htf-attention")
    words = pattern.inner_text() + "\n".join(page.evaluate("[...window.words]"))
    assert "<|im_start|>" in words and "&lt;" not in words
    assert any(
        canvas.evaluate(
            "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 2"
        )
        for canvas in pattern.locator("canvas").all()
    ), "every CircuitsVis canvas is blank"
    slider = notebook.locator(".htf-slider")
    title = slider.locator(".gtitle")
    expect(title).to_have_text("After 12 moves", timeout=30_000)
    slider.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("After 13 moves", timeout=30_000)

    figures = notebook.locator(".js-plotly-plot")
    assert figures.count() == 3
    parts = [pattern, *figures.all(), notebook.locator(".htf-predict")]
    parts.append(notebook.locator(".htf-progress"))
    for theme, width in [("light", 1280), ("dark", 1024), ("light", 768)]:
        _look(page, theme=theme, width=width)
        for n, part in enumerate(parts):
            _show(page, part, f"gallery_{n}_{theme}_{width}")
            wide = "e => [e.scrollWidth, e.closest('.jp-OutputArea-output').clientWidth]"
            inner, room = part.evaluate(wide)
            assert inner <= room + 1, f"part {n} is cut off at {width}"
        box = pattern.bounding_box()
        assert box["height"] <= 760 and box["width"] <= 600
        thumbnail = pattern.locator("canvas").first.bounding_box()
        assert thumbnail["width"] >= 80
        for label in pattern.locator("h4").all():
            ground = label.evaluate("e => getComputedStyle(e).backgroundColor")
            assert ground == "rgb(255, 255, 255)"
        drawn = figures.first.locator(".heatmaplayer image").bounding_box()
        assert drawn["width"] > 150 and drawn["height"] > 100
    _look(page, theme="light", width=1920)
    assert 900 < figures.first.bounding_box()["width"] <= 960
    _show(page, figures.nth(2), "gallery_3_light_1920")
    strip = notebook.locator(".htf-progress")
    expect(strip).to_contain_text("Lesson 1.1")
    expect(strip).to_contain_text("1 of 1 right")
    assert _unwanted(page) == []
    assert page.asked == []


def test_a_solved_lesson_shows_its_figures_before_anything_is_run(lab, page):
    """As the map's link opens it: nothing is trusted yet, so no script runs."""
    page.goto(lab + "&reset")
    expect(page.locator(".jp-MarkdownViewer h1")).to_be_visible(timeout=60_000)
    notebook = _open(page, f"solutions/{SOLVED}.ipynb")
    cells = nbformat.read(ROOT / "solutions" / f"{SOLVED}.ipynb", 4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    drawn = sum(make.PLOTLY in output.get("data", {}) for output in outputs)
    expect(notebook.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=30_000)
    expect(notebook.locator(".js-plotly-plot")).to_have_count(drawn)
    expect(notebook.locator("img[src^='data:']")).to_have_count(0)
    strip = notebook.locator(".jp-OutputArea", has_text="Course: ").last
    _show(page, strip, "solved_strip")
    expect(strip).to_contain_text("Lesson 00")
