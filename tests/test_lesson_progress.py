"""The progress file and its strip."""

import json
import re
import sys

import pytest

from solutions import make
from utils import lesson


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADS_TO_FEATURES_DATA", str(tmp_path / "data"))


def test_progress_is_remembered_and_counted(capsys):
    assert lesson.done() == set()
    lesson.record("logit_lens")
    lesson.record("induction_scores")
    lesson.record("logit_lens")
    assert lesson.done() == {"logit_lens", "induction_scores"}
    lesson.show_progress("00")
    out = capsys.readouterr().out
    assert "[x] logit_lens" in out and "[ ] cache_bytes" in out
    assert "Course: 2 of " in out


def test_progress_made_under_the_old_numbers_counts(capsys):
    """Lesson 11 was 01 and lesson 42 was 11: the file has names of exercises, and no numbers."""
    old = lesson.progress_file()
    old.parent.mkdir(parents=True)
    old.write_text(json.dumps({"done": ["dead_loss", "mean_ablate", "repeated_tokens"]}, indent=1))
    lesson.show_progress("11")
    lesson.show_progress("42")
    out = capsys.readouterr().out
    assert "Lesson 1.1: [x] repeated_tokens" in out and "[x] mean_ablate" in out
    assert "Lesson 4.2: " in out and "[x] dead_loss" in out and "Course: 3 of " in out
    lesson.record("copying_score")
    assert len(lesson.done()) == 4


def test_exercises_are_listed_in_the_lessons_order():
    assert list(lesson.exercises()) == [each.number for each in make.LESSONS]
    for each in make.LESSONS:
        source = each.source.read_text(encoding="utf-8")
        checked = re.findall(rf"^lesson_{each.number}\.check_(\w+)\(", source, re.M)
        assert lesson.exercises()[each.number] == tuple(checked)
    assert [lesson.shown(number) for number in ("00", "11", "52")] == ["00", "1.1", "5.2"]


def test_an_unreadable_file_is_set_aside_and_not_lost(capsys):
    lesson.record("logit_lens")
    lesson.progress_file().write_text("{ torn")
    assert lesson.done() == set()
    kept = lesson.progress_file().with_name("progress.damaged.json")
    assert kept.read_text() == "{ torn" and "is kept as" in capsys.readouterr().out
    lesson.record("cache_bytes")
    assert json.loads(lesson.progress_file().read_text()) == {"done": ["cache_bytes"]}


def test_a_folder_that_cannot_be_written_costs_only_the_record(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADS_TO_FEATURES_DATA", str(tmp_path / "file" / "below"))
    lesson.record("logit_lens")
    assert "could not be saved" in capsys.readouterr().out
    lesson.show_progress("00")


def test_an_unknown_lesson_is_named():
    with pytest.raises(ValueError, match="No lesson '99'"):
        lesson.show_progress("99")


def test_without_ipywidgets_the_strip_is_text(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    lesson.show_progress("11")
    assert "[ ] induction_scores" in capsys.readouterr().out


def test_in_a_notebook_the_strip_is_one_widget(monkeypatch):
    import IPython
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", shown.append)
    lesson.record("induction_scores")
    lesson.show_progress("11")
    (box,) = shown
    assert "htf-progress" in box._dom_classes
    pills = [child.value for child in box.children]
    assert any("&#10003; induction_scores" in pill for pill in pills)
    assert any("&#9675; mean_ablate" in pill for pill in pills)
