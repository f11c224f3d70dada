"""What the set-up cell calls, and the guard under which notebooks are tested."""

import os
import subprocess
import sys

import pytest
import torch

from utils import lesson

OFFLINE = str(lesson.ROOT / "tests" / "offline")


def test_begin_twice_gives_the_same_random_numbers(capsys):
    lesson.begin()
    first = torch.rand(3)
    lesson.begin()
    assert torch.equal(first, torch.rand(3))
    assert "Ready: seed 0" in capsys.readouterr().out


def test_a_package_that_cannot_be_installed_gets_one_sentence(monkeypatch):
    monkeypatch.setattr(lesson, "_dependencies", lambda: ["no-such-package-of-ours>=1"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(RuntimeError, match="Could not install no-such-package-of-ours>=1"):
        lesson.begin()


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
