"""The set-up cell and what it calls, and the guard under which notebooks are tested."""

import os
import subprocess
import sys

import pytest
import torch

from solutions import make
from utils import lesson

OFFLINE = str(lesson.ROOT / "tests" / "offline")


def test_begin_twice_gives_the_same_random_numbers(capsys):
    lesson.begin()
    first = torch.rand(3)
    lesson.begin()
    assert torch.equal(first, torch.rand(3))
    assert "Ready: seed 0" in capsys.readouterr().out


def test_on_colab_one_line_says_that_the_machine_does_not_last(monkeypatch, capsys):
    lesson.begin()
    assert "Drive" not in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "google.colab", object())
    lesson.begin()
    assert "Save a copy in Drive" in capsys.readouterr().out


def test_a_package_that_cannot_be_installed_gets_one_sentence(monkeypatch):
    monkeypatch.setattr(lesson, "_dependencies", lambda: ["no-such-package-of-ours>=1"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(RuntimeError, match="Could not install no-such-package-of-ours>=1"):
        lesson.begin()


def set_up(folder, *, before: str = "", **env: str) -> subprocess.CompletedProcess:
    """Runs the set-up cell in `folder`, with nothing of the course on the path."""
    elsewhere = dict(os.environ, PYTHONPATH="", GIT_TERMINAL_PROMPT="0") | env
    code = f"{before}\n{make.setup_cell()}"
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=folder,
        env=elsewhere,
        capture_output=True,
        text=True,
    )


def instead_of_the_address(path) -> dict[str, str]:
    """The environment in which git takes the course's address for `path`."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{path}.insteadOf",
        "GIT_CONFIG_VALUE_0": make.address(),
    }


@pytest.mark.parametrize("case", ["no git", "no network", "half a clone", "nowhere to write"])
def test_where_the_course_cannot_be_fetched_one_sentence_says_so(case, tmp_path):
    env, folder = instead_of_the_address(tmp_path / "nothing"), tmp_path
    if case == "no git":
        env = {"PATH": str(tmp_path)}
    elif case == "half a clone":
        (tmp_path / "heads-to-features" / "utils").mkdir(parents=True)
    elif case == "nowhere to write":  # for root too
        env, folder = instead_of_the_address(lesson.ROOT), "/proc"
        if not os.path.isdir(folder):
            pytest.skip("needs a folder that nobody can write")
    out = set_up(folder, **env)
    assert out.returncode == 1 and len(out.stderr.splitlines()) == 1
    why = {"no git": "git", "half a clone": "half there", "nowhere to write": "/proc"}
    assert "Could not fetch the course to " in out.stderr and "run the cell again" in out.stderr
    assert why.get(case, "repository") in out.stderr


@pytest.mark.parametrize("tagged", [True, False])
def test_the_release_is_fetched_and_without_its_tag_the_newest_state(tagged, tmp_path):
    course = tmp_path / "course"
    (course / "utils").mkdir(parents=True)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(course)]
    subprocess.run(["git", "init", "-q", str(course)], check=True)
    for state in ("release", "newest"):
        (course / "utils" / "lesson.py").write_text(f"def begin(): print({state!r})")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", state], check=True)
        if state == "release" and tagged:
            subprocess.run([*git, "tag", make.release()], check=True)
    (tmp_path / "content").mkdir()
    for _ in range(2):  # the second time it is there
        out = set_up(tmp_path / "content", **instead_of_the_address(course))
        assert (out.stdout, out.stderr) == ("release\n" if tagged else "newest\n", "")


def test_another_utils_does_not_stand_in_the_way(tmp_path):
    """Neither one that was imported before, nor one that is earlier on the path."""
    (tmp_path / "utils").mkdir()
    for name in ("__init__", "other"):
        (tmp_path / "utils" / f"{name}.py").write_text("")
    before = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import utils.other"
    after = "import utils.plots; print(utils.plots.__file__, utils.__file__)"
    code = (
        f"{before}\n{make.setup_cell()}\n{after}\n{make.setup_cell()}\nimport utils; print(utils)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=lesson.ROOT / "notebooks", capture_output=True, text=True
    )
    assert out.stderr == "" and str(tmp_path) not in out.stdout and "plots.py" in out.stdout


def run_offline(code: str) -> subprocess.CompletedProcess:
    env = dict(os.environ, PYTHONPATH=OFFLINE)
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_the_offline_guard_bites_and_lets_loopback_through():
    """Notebooks are tested under this guard; a guard that never bites would prove nothing."""
    out = run_offline("import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)")
    assert "SocketConnectBlockedError" in out.stderr
    loopback = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(s.getsockname())"
    )
    assert run_offline(loopback).returncode == 0
