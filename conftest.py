"""How notebooks run as tests: offline, strictly, and with blanks that must fail their checks."""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
OFFLINE = str(ROOT / "tests" / "offline")


def is_cell(item: pytest.Item) -> bool:
    """Whether a test is one cell of a notebook."""
    return item.path.suffix == ".ipynb"


def pytest_configure(config: pytest.Config) -> None:
    # Two workers with all threads each only get in each other's way.
    if os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # The tests must not touch the progress of whoever runs them.
    folder = tempfile.TemporaryDirectory(prefix="heads-to-features-", ignore_cleanup_errors=True)
    os.environ["HEADS_TO_FEATURES_DATA"] = folder.name
    config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not is_cell(item):
            continue
        tags = item.cell.metadata.get("tags", [])
        if "check" in tags and item.path.parent.name == "notebooks":
            reason = "a blank that passes its check is a leak, or the check is empty"
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # A kernel inherits this process's environment when its first cell is set up.
    if is_cell(item):
        os.environ["HEADS_TO_FEATURES_STRICT"] = "1"
        os.environ["PYTHONPATH"] = OFFLINE
    else:
        os.environ.pop("HEADS_TO_FEATURES_STRICT", None)
        os.environ.pop("PYTHONPATH", None)
