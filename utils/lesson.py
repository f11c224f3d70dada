"""What the set-up cell of every lesson calls."""

import importlib
import importlib.metadata
import random
import re
import subprocess
import sys
import tempfile
import tomllib
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def begin(seed: int = 0) -> None:
    """Makes a fresh kernel ready for a lesson; safe to call twice.

    Installs what is missing (a hosted notebook starts without TransformerLens) and leaves every
    installed package at its version, sets the random seeds, and keeps library chatter away.

    Raises:
        RuntimeError: a package is missing and cannot be installed beside what is there.
    """
    installed = _install_missing()
    warnings.filterwarnings("ignore", category=FutureWarning)
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if installed:
        print(f"Installed {', '.join(installed)}.")
    print(f"Ready: seed {seed}, torch {torch.__version__}, {len(_dependencies())} packages found.")


def _dependencies() -> list[str]:
    """The course's requirements, without JupyterLab: this code already runs in some notebook."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [line for line in project["dependencies"] if not line.startswith("jupyterlab")]


def _missing() -> list[str]:
    names = {line: re.match(r"[\w.-]+", line).group() for line in _dependencies()}
    return [line for line, name in names.items() if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _install_missing() -> list[str]:
    missing = _missing()
    if not missing:
        return []
    # Hold every installed package where it is: a hosted notebook has loaded some of them already.
    held = sorted(
        {f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()}
    )
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "installed.txt"
        constraints.write_text("\n".join(held), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(constraints)]
        done = subprocess.run([*command, *missing], capture_output=True, text=True)
    if done.returncode:
        reason = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise RuntimeError(
            f"Could not install {', '.join(missing)}; check the network, restart the kernel and "
            f"run this cell again. What pip said:\n{reason}"
        )
    importlib.invalidate_caches()
    return missing
