"""Load any model of this course by name, on the right device, as a TransformerBridge.

    from utils.models import load
    model = load()                          # SmolLM2-135M-Instruct: no hub, no account
    model = load("gpt2")                    # any Hugging Face name
    model = load("countdown/seed_0")    # a toy model of this course: its folder in data/

The default model's weights come from the Python package index: `utils.fetch`.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from utils.fetch import DEFAULT, RECIPES, ModelUnavailable, fetch, quiet
from utils.lesson import ROOT

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

NATIVE = "TransformerLensNative"


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
            in ``data/`` (``"countdown/seed_0"``; most have no tokenizer), a folder in Hugging
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
        is_native = config.get("architecture") == NATIVE
    except (ValueError, AttributeError):
        raise ValueError(f"{folder / 'config.json'} is not JSON: fetch the file again.") from None
    if is_native:
        return _load_native(folder, config, title=title, dtype=dtype)
    if not list(folder.glob("*.safetensors")):
        raise ValueError(
            f"{folder} holds no *.safetensors file, and this course opens no pickles: "
            f"save the model again with save_pretrained()."
        )
    try:
        with quiet():
            model = TransformerBridge.boot_transformers(str(folder), device="cpu", dtype=dtype)
    except Exception as error:  # of whatever library reads the file that is damaged
        raise ValueError(
            f"{folder} is missing a file, or one is damaged ({_first_line(error)}): save or copy "
            f"the model there again."
        ) from None
    model.cfg.model_name = title
    return model


def _load_native(folder: Path, config: dict, *, title: str, dtype: torch.dtype):
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    try:
        cfg = TransformerBridgeConfig.from_dict({**config, "device": "cpu"})
        for field, value in config.items():  # what from_dict leaves out, such as rope_scaling
            if not hasattr(cfg, field):
                setattr(cfg, field, value)
        with torch.random.fork_rng(devices=[]):  # its random start must not move the caller's seed
            model = TransformerBridge.boot_native(cfg, device="cpu", dtype=dtype, model_name=title)
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, SafetensorError, RuntimeError, TypeError, ValueError, AttributeError):
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
