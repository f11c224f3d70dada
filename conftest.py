"""How notebooks run as tests: offline, and each check must find what its notebook holds.

That is *correct* in a solved notebook, and *not attempted* in a blank.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

# pyproject.toml names it, and what is named must have been loaded.
import tests.shapes  # noqa: F401

ROOT = Path(__file__).parent
OFFLINE = str(ROOT / "tests" / "offline")


def is_cell(item: pytest.Item) -> bool:
    """Whether a test is one cell of a notebook."""
    return item.path.suffix == ".ipynb"


def pytest_addoption(parser: pytest.Parser) -> None:
    whole = "run blanks to their end, and not only set-up, imports, exercises and checks"
    parser.addoption("--whole-blanks", action="store_true", help=whole)


def pytest_configure(config: pytest.Config) -> None:
    # Two workers with all threads each only get in each other's way.
    if os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # The tests must not touch the progress of whoever runs them.
    folder = tempfile.TemporaryDirectory(prefix="heads-to-features-", ignore_cleanup_errors=True)
    os.environ["HEADS_TO_FEATURES_DATA"] = folder.name
    config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    in_blanks = [item for item in items if is_cell(item) and item.path.parent.name == "notebooks"]
    if not config.getoption("--whole-blanks"):
        left_out = set(in_blanks) - set(needed_by_checks(in_blanks))
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def tags(item: pytest.Item) -> list[str]:
    return item.cell.metadata.get("tags", [])


def needed_by_checks(cells: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Set-up, the imports in the cell below it, exercises and checks.

    All else is the solved notebook's: between an exercise and the course's version only the check
    uses the learner's function, as a test in tests/test_course.py holds.
    """
    before: list[str] = []
    for item in cells:
        source = item.cell.source
        is_exercise = "# your code here" in source or "# your answer here" in source
        if {"setup", "check"} & set(tags(item)) or is_exercise or "setup" in before:
            yield item
        before = tags(item)


@pytest.fixture(autouse=True)
def _shapes_are_checked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Not where a test is marked `bad_input`: there our own sentence shall answer."""
    if "bad_input" not in request.keywords:
        yield
        return
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # A kernel inherits this process's environment when its first cell is set up.
    if is_cell(item):
        in_blank = item.path.parent.name == "notebooks"
        os.environ["HEADS_TO_FEATURES_EXPECT"] = "not attempted" if in_blank else "correct"
        os.environ["PYTHONPATH"] = OFFLINE
    else:
        os.environ.pop("HEADS_TO_FEATURES_EXPECT", None)
        os.environ.pop("PYTHONPATH", None)
