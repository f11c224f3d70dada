"""What the recipes in this folder share: the loop of a training, optimizers, options and files."""

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from utils.guards import count, filled, guarded


@guarded(optimizers=filled, steps=count(), warmup=count())
def train(
    gradients: Callable[[int], torch.Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    title: str,
    steps: int,
    warmup: int,
    fall: Callable[[int], float] = lambda step: 1.0,
    measured_at: Container[int],
    measure: Callable[[int], dict] = lambda step: {},
) -> tuple[dict[str, list], list[float]]:
    """Take so many steps, and measure on the way.

    Learning rates rise for `warmup` steps to what the optimizers have; a step has at most the
    share `fall(step)` of that.

    Args:
        gradients: adds the gradients of step 0, 1, ... to the model's, and gives the loss.
        measured_at: after how many steps to measure, from 0 to `steps`.
        measure: gives what is measured then, by name.

    Returns:
        Columns over what was measured: `step`; `train_loss`, the mean since the last time (None
        at step 0); and what `measure` gives. Then the loss of every step.

    Raises:
        ValueError: nothing is measured, or a loss is NaN or infinite.
    """
    if not any(step in measured_at for step in range(steps + 1)):
        raise ValueError(f"`measured_at` has none of the steps from 0 to {steps}: give one.")
    groups = [group for each in optimizers for group in each.param_groups]
    highest = [group["lr"] for group in groups]
    rows: list[dict] = []
    losses: list[float] = []
    bar = tqdm(range(steps + 1), desc=title)
    for step in bar:
        if step in measured_at:
            recent = losses[rows[-1]["step"] if rows else 0 :]
            mean = statistics.fmean(recent) if recent else None
            rows.append({"step": step, "train_loss": mean, **measure(step)})
            bar.set_postfix({k: v for k, v in rows[-1].items() if isinstance(v, float)})
        if step == steps:
            break
        for group, lr in zip(groups, highest, strict=True):
            group["lr"] = lr * min(1.0, (step + 1) / warmup, fall(step))
        losses.append(gradients(step).item())
        if not math.isfinite(losses[-1]):
            raise ValueError(f"The loss is {losses[-1]} at step {step}: lower the learning rate.")
        for each in optimizers:
            each.step()
            each.zero_grad()
    return {key: [row[key] for row in rows] for key in rows[0]}, losses


def muon_and_adamw(
    model: torch.nn.Module, *, muon: tuple[float, float], adamw: tuple[float, float]
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks and AdamW for the rest, each `(lr, weight decay)`.

    Raises:
        ValueError: the model has no matrix in `layers`, or all its weights are.
    """
    matrices, others = [], []
    for name, weight in model.named_parameters():
        (matrices if "layers." in name and weight.dim() == 2 else others).append(weight)
    if not (matrices and others):
        raise ValueError("This model has no matrices below `layers`, or no other weights.")
    return [
        torch.optim.Muon(matrices, lr=muon[0], weight_decay=muon[1]),
        torch.optim.AdamW(others, lr=adamw[0], betas=(0.9, 0.98), weight_decay=adamw[1]),
    ]


def options(
    arguments: list[str] | None, description: str, folder: Path, **more: dict
) -> argparse.Namespace:
    """Read `--out`, `--seed`, `--tiny` and `more`, and have torch use one thread.

    Exits where a trial (`--tiny` or another switch) would overwrite what is shipped in `folder`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=folder, help="folder to write into")
    parser.add_argument("--seed", type=int, default=0, help="of what is kept")
    parser.add_argument("--tiny", action="store_true", help="a few steps of one seed: a test")
    for name, how in more.items():
        parser.add_argument(f"--{name}", **how)
    found = parser.parse_args(arguments)
    if any(value is True for value in vars(found).values()) and found.out.resolve() == folder:
        parser.error("This would overwrite what is shipped: name another folder by --out")
    torch.set_num_threads(1)  # the same sums in the same order, whatever the machine
    return found


def _half(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The model's weights in half precision, where all of them fit."""
    weights = {name: weight.half() for name, weight in model.state_dict().items()}
    if bad := [name for name, weight in weights.items() if not weight.isfinite().all()]:
        raise ValueError(f"{bad[0]} does not fit half precision (is it infinite or NaN?).")
    return weights


def copy_as_saved(model: torch.nn.Module, copy: torch.nn.Module) -> None:
    """Give the copy the model's weights as a file in half precision gives them back.

    Raises:
        ValueError: a weight does not fit half precision.
    """
    copy.load_state_dict({name: weight.float() for name, weight in _half(model).items()})


def save_pretrained(model, tokenizer, folder: Path, *, how: dict) -> None:
    """A transformers model in half precision, its tokenizer, and `training.json`: how it came.

    All files are whole before they replace older ones.

    Raises:
        ValueError: a weight does not fit half precision.
    """
    _half(model)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as made:
        model.half().save_pretrained(made)
        tokenizer.save_pretrained(made)
        write_json(Path(made, "training.json"), how)
        for file in Path(made).iterdir():
            file.replace(folder / file.name)


def rounded(value):
    """The same with numbers of 4 decimals, to keep the JSON files short."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def write_json(path: Path, value: dict) -> None:
    """One top-level key a line, so that a change shows up where it happened.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not know.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for key, item in value.items():
        try:
            lines.append(f"{json.dumps(key)}: {json.dumps(rounded(item), allow_nan=False)}")
        except ValueError:
            raise ValueError(f"{key!r} holds NaN or infinity, which JSON does not know.") from None
    part = path.with_name(f"{path.name}.part")
    part.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    part.replace(path)  # never half a file in an older one's place
