"""The texts for lessons 4.2 and 4.3: the same split as the recipes', and nothing else."""

import pytest
import torch

from data.chat import make as chat
from data.chat import task as module
from data.chat.task import texts
from data.sae import make as recipe


def test_the_parts_are_those_of_the_recipes():
    train, held_out = recipe.texts()
    for got, right in ((texts(), train), (texts("train"), train), (texts("held_out"), held_out)):
        assert len(got) == len(right) > 100
        assert all(torch.equal(a, b) for a, b in zip(got, right, strict=True))
    assert (module.BATCH, module.HELD_OUT) == (chat.sampling.BATCH, chat.HELD_OUT)


def test_no_text_is_in_both_parts():
    train = {tuple(row.tolist()) for row in texts() if len(row) > 40}
    held_out = [tuple(row.tolist()) for row in texts("held_out") if len(row) > 40]
    shared = sum(row in train for row in held_out)
    assert shared == 0


def test_what_is_not_there_is_said(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="held_out"):
        texts("test")
    monkeypatch.setattr(module, "DATA", tmp_path)
    with pytest.raises(FileNotFoundError, match="make data D=chat"):
        texts()
