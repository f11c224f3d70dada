"""The set-up cell on a hosted notebook's terms: an empty folder, older versions that must stay."""

import json
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from solutions import make
from tests.environments import fresh_environment

# What Colab has installed (late 2026). `notebook` is there because ipywidgets 7 needs one.
PREINSTALLED = [
    "numpy==2.1.3",
    "pandas==2.2.3",
    "transformers==5.15.0",
    "plotly==5.24.1",
    "scikit-learn==1.6.1",
    "ipython==7.34.0",
    "ipykernel==6.17.1",
    "ipywidgets==7.7.1",
    "notebook==6.5.7",
]

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of a fresh environment that holds what Colab's holds."""
    return fresh_environment(tmp_path_factory.mktemp("colab"), PREINSTALLED, linked=["torch"])


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The working tree as a repository of one commit, in place of the public one."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=make.ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode:
        pytest.skip("needs a git checkout: the set-up cell clones one")
    folder = tmp_path_factory.mktemp("published")
    for name in filter(None, listing.stdout.split("\0")):
        if (make.ROOT / name).is_file():  # deleted, and not yet committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(make.ROOT / name, folder / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in [["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "The working tree"]]:
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def _versions(python: Path) -> dict[str, str]:
    listing = [python, "-m", "pip", "list", "--format=json"]
    packages = json.loads(subprocess.run(listing, check=True, capture_output=True).stdout)
    return {package["name"]: package["version"] for package in packages}


def _run(cells: list, python: Path, published: Path, tmp_path: Path) -> list:
    """The cells, run one after another by `python` in an empty folder; they may not fail."""
    kernel = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Colab",
        "language": "python",
        "env": {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{published}.insteadOf",
            "GIT_CONFIG_VALUE_0": make.address(),
            "HEADS_TO_FEATURES_DATA": str(tmp_path / "progress"),
            "PIP_NO_COMPILE": "1",  # faster here; changes nothing that is tested
            "IPYTHONDIR": str(tmp_path / "ipython"),
        },
    }
    (tmp_path / "kernels" / "colab").mkdir(parents=True)
    (tmp_path / "kernels" / "colab" / "kernel.json").write_text(json.dumps(kernel))
    kernels = KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")])
    (tmp_path / "content").mkdir()
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=cells),
        km=AsyncKernelManager(kernel_name="colab", kernel_spec_manager=kernels),
        resources={"metadata": {"path": str(tmp_path / "content")}},
        timeout=600,
    )
    return client.execute().cells


def test_the_set_up_cell_runs_twice_and_lesson_00_runs_through(python, published, tmp_path):
    before = _versions(python)
    lesson = nbformat.read(make.ROOT / "solutions" / "00_meet_the_model.ipynb", 4)
    (setup,) = [cell for cell in lesson.cells if "setup" in cell.metadata.get("tags", [])]
    first = lesson.cells.index(setup)
    again = nbformat.v4.new_code_cell(setup.source)
    ask = nbformat.v4.new_code_cell(
        "from utils.checks.predict import outcome, predict\n"
        'predict("00.x", "Which?", choices=["a", "b"]); predict("00.y", "How many?")\n'
        'outcome("00.x", "a"); outcome("00.y", 3.0, factor=2)'
    )
    cells = [*lesson.cells[: first + 1], again, *lesson.cells[first + 1 :], ask]
    ran = _run(cells, python, published, tmp_path)
    widget = "application/vnd.jupyter.widget-view+json"
    shown = [output.data for output in ran[-1].outputs]
    assert [widget in data for data in shown] == [True, True, False, False]
    assert all("Predict" in data["text/html"] for data in shown[:2])

    for cell in ran[first : first + 2]:
        said = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
        others = [output for output in cell.outputs if output.get("name") != "stdout"]
        assert all("<style>" in output.data["text/html"] for output in others), others
        assert "Ready" in said and len(said.splitlines()) <= 2, said
    assert (tmp_path / "content" / "heads-to-features" / "utils" / "lesson.py").exists()
    after = _versions(python)
    assert "transformer-lens" in after
    assert {name: after.get(name) for name in before} == before
