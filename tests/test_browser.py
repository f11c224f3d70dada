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
LESSON = "11_induction_heads"
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
    """A course folder to write in; the lesson's outputs are cleared, so what is seen is new."""
    source = ROOT / "solutions" / f"{LESSON}.ipynb"
    folder = tmp_path_factory.mktemp("course")
    for name in [".jupyter", "notebooks"]:
        shutil.copytree(ROOT / name, folder / name)
    for name in ["Makefile", "utils", "data", "pyproject.toml"]:
        (folder / name).symlink_to(ROOT / name)
    notebook = nbformat.read(source, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (folder / "solutions").mkdir()
    nbformat.write(notebook, folder / "solutions" / source.name)
    return folder


@pytest.fixture(scope="module")
def lab(course, tmp_path_factory):
    """The address of a running JupyterLab, and the address that it offers the learner."""
    own = tmp_path_factory.mktemp("jupyter")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = dict(
        os.environ,
        # The tester's own settings and progress: neither read nor written.
        JUPYTER_CONFIG_DIR=str(own / "config"),
        JUPYTER_DATA_DIR=str(own / "data"),
        JUPYTER_RUNTIME_DIR=str(own / "runtime"),
        IPYTHONDIR=str(own / "ipython"),
        HEADS_TO_FEATURES_DATA=str(own / "progress"),
    )
    command = ["make", "-s", "--assume-old=model", "lab", f"VENV={own}"]
    command += [f"BIN={Path(sys.executable).parent}"]
    command += [f"ARGS=--no-browser --allow-root --port={port} --ServerApp.port_retries=0"]
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
        page.wait_for_timeout(1_000)
        part.evaluate("(element) => element.scrollIntoView({block: 'center'})")
    expect(part).to_be_in_viewport()
    _screenshot(page, name)


def _unwanted(page) -> list[str]:
    """What greets a learner and should not: dialogs and pop-ups."""
    return page.evaluate("window.greetings")


def test_the_course_map_greets_the_learner(lab, page):
    page.goto(lab)
    shown = page.locator(".jp-MarkdownViewer .jp-RenderedMarkdown")
    expect(shown.locator("h1")).to_be_visible(timeout=60_000)
    expect(shown.locator("a[href*=induction_heads]").first).to_be_visible()
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)
    page.wait_for_timeout(2_000)  # what pops up late counts too
    _screenshot(page, "course_map")
    assert urlsplit(page.url).path == "/lab/tree/notebooks/README.md"
    assert _unwanted(page) == []
    assert page.asked == []

    shown.locator("a[href*=induction_heads]").first.click()
    expect(page.locator(".lm-TabBar-tabLabel", has_text=LESSON)).to_be_visible(timeout=30_000)


def _run_all(lab, page, path: Path):
    """Open a notebook and run all of it, without an error or a warning; returns its panel."""
    # `reset`: a tab that the other test left open could take the click.
    page.goto(lab.replace("/notebooks/README.md", f"/solutions/{path.name}") + "&reset")
    notebook = page.locator(".jp-NotebookPanel:visible")
    ready = notebook.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    expect(ready).to_be_visible(timeout=60_000)
    # JupyterLab forgets what is run before the kernel is there; the status bar knows when it is.
    kernel_is_there = re.compile(r"Python 3.*\| Idle")
    expect(page.locator("#jp-main-statusbar")).to_contain_text(kernel_is_there, timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('[data-command="runmenu:run-all"]').click()

    def finished():
        """The saved notebook, once every code cell has run or one has failed."""
        page.wait_for_timeout(2_000)
        if not ready.is_visible():
            return None
        before = path.stat().st_mtime_ns
        page.keyboard.press("Control+s")
        for _ in range(20):  # saved again before it is done, JupyterLab asks about a changed file
            page.wait_for_timeout(1_000)
            if path.stat().st_mtime_ns != before:
                break
        page.wait_for_timeout(1_000)
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        failed = any(output.output_type == "error" for cell in cells for output in cell.outputs)
        return cells if failed or all(cell.execution_count for cell in cells) else None

    cells = _when(finished, lambda: "the notebook did not finish", seconds=300)
    red = [
        "".join(output.get("traceback", [])) or output.text
        for cell in cells
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert red == []
    return notebook


def test_a_lesson_runs_and_draws(lab, page, course):
    notebook = _run_all(lab, page, course / "solutions" / f"{LESSON}.ipynb")
    heatmap = notebook.locator(".js-plotly-plot:has(.heatmaplayer image)").first
    _show(page, heatmap, "heatmap")
    drawn = heatmap.locator(".heatmaplayer image").first.bounding_box()
    assert drawn["width"] > 200 and drawn["height"] > 100

    pattern = notebook.locator(".htf-attention").first
    _show(page, pattern, "circuitsvis")
    words = pattern.inner_text() + "\n".join(page.evaluate("[...window.words]"))
    assert "<|im_start|>" in words and "&lt;" not in words
    assert any(
        canvas.evaluate(
            "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 2"
        )
        for canvas in pattern.locator("canvas").all()
    ), "every CircuitsVis canvas is blank"

    strip = notebook.locator(".htf-progress").last
    _show(page, strip, "progress_strip")
    expect(strip).to_contain_text("Lesson 1.1")

    assert _unwanted(page) == []
    # The Colab badge is a picture from elsewhere; offline its text stands in for it.
    assert set(page.asked) <= {BADGE}


def test_a_slider_draws_the_board_that_it_is_set_to(lab, page, course):
    """What lesson 2.3 opens with, without the lesson's model."""
    cell = """
import sys; sys.path.insert(0, "..")
import torch
from data.othello import task as othello
from utils.reading import figures
from utils import plots
games = othello.random_games(1, generator=torch.Generator().manual_seed(0))
board = othello.replay(games).board[0]
def draw(t):
    return figures.boards({"": board[t]}, title=f"After {t} moves")
plots.slider(draw, n=31, label="moves", at=12)
"""
    path = course / "solutions" / "slider.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip())])
    nbformat.write(notebook, path)
    slider = _run_all(lab, page, path).locator(".htf-slider")
    title = slider.locator(".gtitle")
    expect(title).to_have_text("After 12 moves", timeout=30_000)
    slider.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("After 13 moves", timeout=30_000)
    _show(page, slider, "slider")
    assert slider.locator(".heatmaplayer image").bounding_box()["width"] > 200
    assert page.asked == []
