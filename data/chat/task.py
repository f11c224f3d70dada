"""The texts that SmolLM2's dictionaries are trained and tested on, as token ids."""

from pathlib import Path

import torch
from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

TEXTS = Path(__file__).parent / "texts.safetensors"
STORIES = Path(__file__).parents[1] / "stories" / "texts.safetensors"
BATCH, HELD_OUT = 192, 16  # every 16th batch of 192 chat texts is on subjects that are held out


def texts(part: str = "train") -> list[Int[Tensor, " _"]]:
    """Token ids of texts that SmolLM2 wrote, without BOS.

    "train" is its answers to requests (`data/chat`), then its short stories (`data/stories`).
    "held_out" is its answers about subjects that no request of the other part was about.

    Args:
        part: "train" or "held_out".

    Raises:
        ValueError: for any other part, or where a file is damaged.
        FileNotFoundError: the texts are not there; `make data D=chat` writes them.
    """
    if part not in ("train", "held_out"):
        raise ValueError(f'There is no part {part!r}: ask for "train" or "held_out".')
    held_out = part == "held_out"
    chat = [row for i, row in enumerate(_read(TEXTS)) if (i // BATCH % HELD_OUT == 0) == held_out]
    return chat if held_out else chat + _read(STORIES)


def _read(file: Path) -> list[Int[Tensor, " _"]]:
    if not file.exists():
        raise FileNotFoundError(
            f"No texts in {file}: get the repository's data, or `make data D={file.parent.name}`."
        )
    try:
        kept = load_file(file)
        tokens: Tensor = kept["tokens"].to(torch.int32)
        return list(tokens.split(kept["lengths"].tolist()))
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{file} is damaged ({error}): get the repository's data again, or "
            f"`make data D={file.parent.name}`."
        ) from error
