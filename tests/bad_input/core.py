"""Bad input to the core: heads, and models with their files."""

import contextlib
import io
import json
import tempfile
from functools import cache
from pathlib import Path

import torch
from transformer_lens.model_bridge import TransformerBridge

from data import native
from tests.small_models import random_model
from utils import fetch, heads, models

SCORES = torch.ones(2, 4)
DRAW = {"layers": [0, 1], "n_heads": 4, "but": [(0, 0)], "generator": torch.Generator()}


@cache
def toy() -> TransformerBridge:
    sizes = {"d_model": 8, "d_head": 2, "n_heads": 4, "n_layers": 2, "n_ctx": 4, "d_vocab": 5}
    return TransformerBridge.boot_native(sizes | {"attn_only": True, "seed": 0}, device="cpu")


def ablated(chosen):
    def run():
        with heads.ablated(toy(), chosen):
            pass

    return run


def saved(**changed):
    """Loads a folder in which some files of a native toy hold something else, or are gone."""
    return _loaded(lambda folder: native.save_native(toy(), folder), changed)


def saved_llama(**changed):
    return _loaded(lambda folder: random_model("llama", folder), changed)


def _loaded(save, changed):
    names = {"config": "config.json", "weights": "model.safetensors", "words": "tokenizer.json"}

    def run():
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            save(folder)
            for what, holds in changed.items():
                file = Path(folder, names[what])
                file.unlink() if holds is None else file.write_bytes(holds)
            models.load(folder, device="cpu")

    return run


def saved_with(weight: float):
    def run():
        large = TransformerBridge.boot_native(toy().cfg.to_dict() | {"seed": 1}, device="cpu")
        torch.nn.init.constant_(large.embed.weight, weight)
        with tempfile.TemporaryDirectory() as folder:
            native.save_native(large, folder)

    return run


def no_model():
    with tempfile.TemporaryDirectory() as folder:
        models.load(folder)


ROWS = [
    ("ablated in layer 2 of 2", ablated([(2, 0)]), "There is no L2H0"),
    ("ablated in layer -1", ablated([(-1, 0)]), "layers 0 to 1"),
    ("ablated head 4 of 4", ablated([(0, 4)]), "heads 0 to 3"),
    ("ablated head -1", ablated([(0, 1), (0, -1)]), "There is no L0H-1"),
    ("ablated with a bare pair", ablated((0, 1)), "pairs of layer and number"),
    ("ablated by names", ablated(["L0H1"]), "pairs of layer and number"),
    ("nine top heads of eight", lambda: heads.top_heads(SCORES, 9), "scores of 8 heads"),
    ("no top heads", lambda: heads.top_heads(SCORES, 0), "`n` is 0"),
    ("half a top head", lambda: heads.top_heads(SCORES, 0.5), "whole number"),
    ("True top heads", lambda: heads.top_heads(SCORES, True), "`n` is True"),
    ("top heads by yes", lambda: heads.top_heads(SCORES, torch.tensor(True)), "whole number"),
    ("top heads by 2.0", lambda: heads.top_heads(SCORES, torch.tensor(2.0)), "`n` is of type Tens"),
    ("top heads by a word", lambda: heads.top_heads(SCORES, "2"), "`n` is '2'"),
    ("-1 top heads", lambda: heads.top_heads(SCORES, -1), "`n` is -1"),
    ("top heads by NaN", lambda: heads.top_heads(SCORES * float("nan"), 1), "NaN"),
    ("top heads of one layer", lambda: heads.top_heads(SCORES[0], 1), "give 2 axes"),
    ("-1 random heads", lambda: heads.random_heads(-1, **DRAW), "`n` is -1"),
    ("eight random heads of seven", lambda: heads.random_heads(8, **DRAW), "Only 7 heads"),
    (
        "five random heads of a layer named twice",
        lambda: heads.random_heads(5, **DRAW | {"layers": [1, 1]}),
        "Only 4 heads",
    ),
    (
        "random heads of no layer",
        lambda: heads.random_heads(1, **DRAW | {"layers": []}),
        "Only 0 heads",
    ),
    (
        "random heads of none",
        lambda: heads.random_heads(1, **DRAW | {"n_heads": 0}),
        "`n_heads` is 0",
    ),
    ("a model of no name", lambda: models.load(""), "Hugging Face name"),
    ("a folder without a model", no_model, "no config.json"),
    ("a folder that is not there", lambda: models.load("./nowhere"), "no model's folder"),
    ("weights of whole numbers", lambda: models.load(dtype=torch.int8), "torch.float32"),
    ("a type by name", lambda: models.load(dtype="float16"), "torch.float32"),
    ("a device of another make", lambda: models.load(device="tpu"), "'cuda', 'mps', 'cpu'"),
    ("a device number", lambda: models.load(device=-1), "'cuda', 'mps', 'cpu'"),
    ("a toy with half its weights", saved(weights=b"half"), "git checkout"),
    ("a toy without weights", saved(weights=None), "git checkout"),
    ("a toy with an empty file", saved(weights=b""), "git checkout"),
    ("a toy whose configuration is cut", saved(config=b"{"), "is not JSON"),
    ("a toy whose configuration is a list", saved(config=b"[]"), "is not JSON"),
    (
        "a toy of no size",
        saved(config=json.dumps({"architecture": models.NATIVE}).encode()),
        "git checkout",
    ),
    ("a model with half its weights", saved_llama(weights=b"half"), "is damaged"),
    ("a model without weights", saved_llama(weights=None), "no *.safetensors"),
    ("a model with half a tokenizer", saved_llama(words=b"{"), "is damaged"),
    ("a model without a tokenizer", saved_llama(words=None), "is missing a file"),
    ("a model of no kind", saved_llama(config=b"{}"), "is damaged"),
    ("a native model of a llama", lambda: native.save_native(_llama(), "x"), "save_pretrained"),
    ("a weight of 1e6", saved_with(1e6), "half precision"),
    ("a weight of NaN", saved_with(float("nan")), "half precision"),
    ("fetching a model of the hub", lambda: fetch.fetch("gpt2"), "smollm2-135m, gemma3-270m"),
]


@cache
def _llama():
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        return random_model("llama", folder)
