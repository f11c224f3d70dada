"""Environments of a test's own, in which large packages cost neither time nor disk."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def fresh_environment(folder: Path, packages: Sequence[str], *, linked: Sequence[str]) -> Path:
    """Make an environment in `folder` with these packages; its interpreter.

    Args:
        packages: for pip, such as "numpy==2.1.3".
        linked: names of packages to take, with what they need, from this environment.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True)
    done = set()
    for name in ["pip", *linked]:
        _link(name, Path(site.stdout.strip()), done)
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", *packages]
    ran = subprocess.run(pip, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return python


def _link(name: str, site: Path, done: set[str]) -> None:
    """Puts a package of this environment, and what it needs, into `site` by hard links.

    So torch, which is large, costs neither time nor disk, and pip sees it as installed.
    """
    name = canonicalize_name(name)
    if name in done:
        return
    done.add(name)
    package = importlib.metadata.distribution(name)
    for file in package.files:
        source, target = Path(file.locate()), site / file
        if ".." in file.parts or not source.exists():  # scripts
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy(source, target)
    for line in package.requires or []:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            _link(need.name, site, done)
