"""One environment, written down three times: the ranges, the exact versions, and conda's."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
RANGES = {
    canonicalize_name(each.name): each
    for each in map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])
}


def _pins(lines: list[str]) -> dict[str, str]:
    """Package -> exact version; any other kind of line is an error."""
    pins = {}
    for line in lines:
        match = re.fullmatch(r"([\w.-]+)==([\w.]+)", line.split("#")[0].strip())
        assert match, f"not an exact version: {line!r}"
        assert canonicalize_name(match[1]) not in pins, f"{match[1]} stands there twice"
        pins[canonicalize_name(match[1])] = match[2]
    return pins


@pytest.fixture(scope="module")
def constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return _pins([line for line in lines if line and not line.startswith("#")])


@pytest.fixture(scope="module")
def conda():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RANGES)
def test_each_range_admits_the_version_that_the_tests_run_with(name, constraints):
    assert name in constraints, f"constraints.txt lacks {name}"
    assert RANGES[name].specifier.contains(constraints[name], prereleases=True)


@pytest.mark.parametrize("name", RANGES)
def test_each_dependency_says_what_needs_it(name):
    line = next(line for line in PYPROJECT.splitlines() if f'"{RANGES[name].name}' in line)
    # The test runner and its kin need no more words than their group's heading.
    assert re.search(r'",\s+# \w', line) or name == "pytest", line


def test_conda_gets_the_same_versions(conda):
    pip = next(each["pip"] for each in conda["dependencies"] if isinstance(each, dict))
    assert pip == ["-c constraints.txt", "-e .[test]"]


def test_pre_commit_formats_as_the_tests_do(constraints):
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    (ruff,) = [each for each in hooks if "ruff" in each["repo"]]
    assert ruff["rev"] == f"v{constraints['ruff']}"


def test_workflows_pin_their_actions():
    """A tag can be moved; a commit cannot."""
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
        assert used
        for action, comment in used:
            assert re.search(r"@[0-9a-f]{40}$", action) and re.match(r" # v\d", comment), action


def test_conda_gets_a_python_that_the_course_admits(conda):
    python = next(each for each in conda["dependencies"] if str(each).startswith("python="))
    oldest = Requirement(f"python{PROJECT['requires-python']}").specifier
    assert oldest.contains(python.removeprefix("python="))


def test_conda_opens_jupyterlab_as_make_lab_does():
    """With the learner's copies and the settings in `.jupyter/`."""
    opens = "python -m solutions.work lab"
    for name in ("environment.yml", "Makefile", "README.md"):
        assert opens in (ROOT / name).read_text(encoding="utf-8"), name
