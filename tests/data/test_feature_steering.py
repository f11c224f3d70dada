"""The texts that steered models wrote, as they are shipped."""

import pytest

from data.concepts import task as concepts
from data.feature_steering import task
from data.feature_steering.task import written_texts


def test_the_shipped_texts_are_whole():
    written = written_texts()
    assert len(written) == 8 and {len(each.texts) for each in written.values()} == {120}
    assert {len(set(each.openings)) for each in written.values()} == {24}
    assert written["unsteered"].latent == -1 and written["sea, feature"].latent >= 0
    score = {run: concepts.score("sea", each.texts).mean() for run, each in written.items()}
    plain = score["unsteered"]
    assert score["sea, means"] - plain > 0.2 > score["sentiment, means"] - plain


def test_a_damaged_file_is_said(tmp_path, monkeypatch):
    whole = task.FILE.read_text(encoding="utf-8")
    monkeypatch.setattr(task, "FILE", tmp_path / "texts.csv")
    for damaged in ("", whole[: len(whole) // 2], whole.replace("latent", "feature", 1)):
        task.FILE.write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError, match="is damaged: get it again"):
            task.written_texts()
