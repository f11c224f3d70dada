"""Keeping a toy model that a recipe made: `utils.models.load` opens it."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformer_lens.model_bridge import TransformerBridge

from utils.models import NATIVE


def save_native(model: TransformerBridge, folder: str | Path) -> Path:
    """Save a bridge made by `TransformerBridge.boot_native`, as the toy models in `data/` are.

    Writes `config.json` (every field of its configuration) and `model.safetensors` (half
    precision, so a weight keeps about 3 digits). `load(folder)` reads it back as float32.

    Args:
        model: a native bridge, trained or not, without `enable_compatibility_mode`.
        folder: where to write; it is created, and files of the same names are replaced.

    Returns:
        The folder.

    Raises:
        ValueError: the model is not a native one, has folded weights, or does not fit half
            precision (a weight above 65,504, infinite or NaN).
    """
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
    parts = [folder / f"{name}.part" for name in ("config.json", "model.safetensors")]
    parts[0].write_text(text + "\n", encoding="utf-8")
    save_file(weights, parts[1])
    parts[1].chmod(0o644)  # safetensors writes 0600
    for part in parts:  # both are whole before they take an older model's place
        part.replace(part.with_suffix(""))
    return folder
