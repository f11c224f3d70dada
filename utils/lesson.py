"""What every lesson calls: set-up, and numbers held against the text."""

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


def shown(lesson: str) -> str:
    """A lesson's number as readers see it: "00", and "1.1" for lesson 11, the first of part 1."""
    return lesson if lesson == "00" else f"{lesson[0]}.{lesson[1]}"


def begin(seed: int = 0) -> None:
    """Makes a fresh kernel ready for a lesson; safe to call twice.

    Makes `import utils` mean the course's. Installs what is missing (a hosted notebook starts
    without TransformerLens) and leaves every installed package at its version, sets the random
    seeds, and keeps library chatter away.

    Raises:
        RuntimeError: a package is missing and cannot be installed beside what is there.
    """
    _come_first()
    installed = _install_missing()
    _bound_figures()
    warnings.filterwarnings("ignore", category=FutureWarning)
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if installed:
        print(f"Installed {', '.join(installed)}.")
    print(f"Ready: seed {seed}, torch {torch.__version__}, {len(_dependencies())} packages found.")
    if on_colab():
        print("File > Save a copy in Drive, or what you write here is gone with this machine.")


def on_colab() -> bool:
    """Whether this runs on Colab, whose machines do not last."""
    return "google.colab" in sys.modules


def _bound_figures() -> None:
    """Figures take the room there is, up to a width that an eye can take in."""
    from utils.views import Html, in_notebook, show

    if in_notebook():
        show(Html("<style>.js-plotly-plot {max-width: 960px}</style>", ""))


def _come_first() -> None:
    """Puts the course first on the path, and forgets another `utils` that was imported before."""
    sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT))]
    other = getattr(sys.modules.get("utils"), "__file__", None)
    if other is None or Path(other).resolve() != ROOT / "utils" / "__init__.py":
        for name in [name for name in sys.modules if name.partition(".")[0] == "utils"]:
            del sys.modules[name]


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


# ---- Numbers in the text ------------------------------------------------------------------------


def claim(label: str, measured: float, text: float, within: float) -> None:
    """Compares a number in the lesson's text with what was just measured.

    Args:
        label: what the number is.
        measured: what this run gives.
        text: what the text says; the text prints it in bold, and a test looks for it there.
        within: how far the two may lie apart, since machines round differently.

    Raises:
        AssertionError: they lie further apart.
    """
    measured = float(measured)
    if not abs(measured - text) <= within:
        raise AssertionError(
            f"{label}: the text says {_plain(text)}; this run gives {_plain(measured)}, which is "
            f"not within {_plain(within)}. "
            "If you changed nothing above, please open an issue with your device and versions."
        )
    found, stated, margin = map(_plain, (measured, text, within))
    print(f"{label}: measured {found}; the text's {stated} reproduces within {margin}")


def _plain(number: float) -> str:
    """A number as a reader writes it: no powers of ten."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
