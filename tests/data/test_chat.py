"""The texts for lessons 4.2 and 4.3: two parts, and what is not there is said."""

import pytest
import torch

from data import sampling
from data.chat import make as chat
from data.chat import task
from data.chat.task import texts
from data.stories import make as stories


def test_batches_of_the_recipe_are_held_out_whole():
    rows = sampling.read_tokens(chat.TEXTS)
    held = [i // sampling.BATCH % chat.HELD_OUT == 0 for i in range(len(rows))]
    held_out = [row for row, out in zip(rows, held, strict=True) if out]
    train = [row for row, out in zip(rows, held, strict=True) if not out]
    train += sampling.read_tokens(stories.TEXTS)
    for got, right in ((texts(), train), (texts("train"), train), (texts("held_out"), held_out)):
        assert len(got) == len(right) > 100
        assert all(torch.equal(a, b) for a, b in zip(got, right, strict=True))
    assert task.BATCH == sampling.BATCH


def test_no_text_is_in_both_parts():
    train = {tuple(row.tolist()) for row in texts() if len(row) > 40}
    held_out = [tuple(row.tolist()) for row in texts("held_out") if len(row) > 40]
    shared = sum(row in train for row in held_out)
    assert shared == 0


def test_what_is_not_there_is_said(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="held_out"):
        texts("test")
    monkeypatch.setattr(task, "TEXTS", tmp_path / "chat" / "texts.safetensors")
    with pytest.raises(FileNotFoundError, match="make data D=chat"):
        texts()
