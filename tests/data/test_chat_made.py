"""The chat texts: subjects are held out whole, and the file is what its README says."""

import pytest

from data import sampling
from data.chat import make as chat
from data.chat.task import texts


def asked_about(request: str, *, held_out: bool) -> bool:
    """Whether a request can be made with one of these subjects."""
    return any(
        request.startswith(form.format(subject))
        for group, (_, forms) in chat.GROUPS.items()
        for form in forms
        for subject in chat.subjects(group, held_out=held_out)
    )


@pytest.mark.parametrize("seed", [0, 1, 2, chat.HELD_OUT])
def test_a_batch_is_about_held_out_subjects_or_about_the_others(seed):
    held_out = seed % chat.HELD_OUT == 0
    requests = chat.prompts(sampling.BATCH, seed)
    assert len(requests) == sampling.BATCH
    assert all(asked_about(each, held_out=held_out) for each in requests)


def test_subjects_are_told_apart():
    for group in chat.GROUPS:
        train, held_out = (set(chat.subjects(group, held_out=part)) for part in (False, True))
        assert held_out and not train & held_out


def test_the_texts_are_whole_batches_of_tokens():
    held_out = texts("held_out")
    rows = sampling.read_tokens(chat.TEXTS)
    assert len(rows) % sampling.BATCH == 0
    assert 0.03 < len(held_out) / len(rows) < 0.2
    assert all(0 < len(row) <= 112 and row.max() < 49_152 and row.min() >= 0 for row in rows)
    assert sum(map(len, texts("train"))) > 1_000_000
