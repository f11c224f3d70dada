"""The progress file, its strip, and the way from one machine to another."""

import json
import re
import threading
from pathlib import Path

import pytest

from solutions import make
from tests.contrast import text_contrasts
from utils import views
from utils.checks import progress
from utils.lesson import ROOT, shown


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADS_TO_FEATURES_DATA", str(tmp_path / "data"))


def strip(lesson: str, monkeypatch) -> str:
    """The strip's HTML."""
    views_shown = []
    monkeypatch.setattr(progress, "show", views_shown.append)
    progress.show_progress(lesson)
    (view,) = views_shown
    return view._repr_html_()


def test_progress_is_remembered_and_counted(capsys):
    assert progress.done() == set()
    progress.record("logit_lens")
    progress.record("stripe_scores")
    progress.record("logit_lens")
    assert progress.done() == {"logit_lens", "stripe_scores"}
    progress.show_progress("00")
    out = capsys.readouterr().out
    assert "[x] logit_lens" in out and "[ ] zero_ablated" in out
    assert "Course: 2 of " in out and "Predictions" not in out


def test_progress_made_under_the_old_numbers_counts(capsys):
    """Lesson 21 was 05, and some exercises are gone: the file has names, and no numbers."""
    old = progress.progress_file()
    old.parent.mkdir(parents=True)
    old.write_text(json.dumps({"done": ["mean_difference", "logit_lens", "cache_bytes"]}, indent=1))
    progress.show_progress("00")
    progress.show_progress("21")
    out = capsys.readouterr().out
    assert "[x] logit_lens" in out and "cache_bytes" not in out
    assert "Lesson 2.1: " in out and "[x] mean_difference" in out and "Course: 2 of " in out
    progress.record("path_hooks")
    assert progress.done() > {"cache_bytes", "path_hooks"}


def test_exercises_are_listed_in_the_lessons_order():
    assert list(progress.exercises()) == [each.number for each in make.LESSONS]
    for each in make.LESSONS:
        source = each.source.read_text(encoding="utf-8")
        checked = re.findall(rf"^(?:\w+ = )?lesson_{each.number}\.check_(\w+)\(", source, re.M)
        assert progress.exercises()[each.number] == tuple(checked)
    assert [shown(number) for number in ("00", "11", "52")] == ["00", "1.1", "5.2"]


DAMAGED = [
    "{ torn",
    "[]",
    '{"done": "abc"}',
    '{"done": [1]}',
    "3",
    '{"predictions": [1]}',
    "\0",
]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_an_unreadable_file_is_set_aside_and_not_lost(damaged, capsys):
    progress.record("logit_lens")
    progress.progress_file().write_text(damaged)
    assert progress.done() == set()
    kept = progress.progress_file().with_name("progress.damaged.json")
    assert kept.read_text() == damaged and "is kept as" in capsys.readouterr().out
    progress.record("zero_ablated")
    assert json.loads(progress.progress_file().read_text())["done"] == ["zero_ablated"]


NO_PREDICTIONS = [
    1,
    {},
    {"shown": True, "right": True},
    {"answer": None, "shown": True, "right": None},
    {"answer": [1]},
    {"answer": True},
    {"answer": float("nan")},
    {"answer": 10**400},
    {"answer": 1, "shown": True},
    {"answer": 1, "shown": True, "right": "yes"},
    {"answer": 1, "shown": [1], "right": True},
    {"answer": 1, "right": {}},
]


@pytest.mark.parametrize("bad", NO_PREDICTIONS)
def test_what_is_no_prediction_is_left_out_and_the_rest_kept(bad, capsys):
    good = {"11.b": {"answer": "x", "shown": True, "right": False}, "11.c": {"answer": 2.5}}
    path = progress.progress_file()
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"done": ["logit_lens"], "predictions": {"11.a": bad, **good}}))
    assert progress.progress() == {"done": ["logit_lens"], "predictions": good}
    progress.show_progress("11")
    assert "Predictions: 0 of 1 right here" in capsys.readouterr().out


def test_a_file_system_without_locks_costs_only_the_record(monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise NotImplementedError("no locks here")

    monkeypatch.setattr(progress.FileLock, "acquire", refuse)
    progress.record("logit_lens")
    assert "could not be saved" in capsys.readouterr().out
    progress.progress_file().write_text("{ torn")
    assert progress.done() == set()
    assert progress.progress_file().read_text() == "{ torn"


def test_a_solved_lesson_adds_nothing_and_its_strip_says_so(monkeypatch, tmp_path):
    progress.record("logit_lens")
    note = "does not count as yours."
    assert note not in strip("00", monkeypatch)
    monkeypatch.chdir(ROOT / "solutions")
    progress.record("zero_ablated")
    assert progress.done() == {"logit_lens"} and note in strip("00", monkeypatch)
    (tmp_path / "solutions").mkdir()
    monkeypatch.chdir(tmp_path / "solutions")  # not the course's
    progress.record("zero_ablated")
    assert progress.done() == {"logit_lens", "zero_ablated"}


def test_a_folder_that_is_gone_does_not_stop_a_check(monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    progress.record("logit_lens")
    assert progress.done() == {"logit_lens"}


def test_a_second_damaged_file_leaves_the_first_where_it_is():
    folder = progress.progress_file().parent
    folder.mkdir(parents=True)
    for n in range(3):
        progress.progress_file().write_text(f"damaged {n}")
        progress.record("logit_lens")
    kept = sorted(path.read_text() for path in folder.glob("progress.damaged*.json"))
    assert kept == ["damaged 0", "damaged 1", "damaged 2"]


def test_a_file_that_may_not_be_read_is_left_alone(monkeypatch, capsys):
    """As root in the tests: a folder in the file's place stands for it."""
    progress.progress_file().mkdir(parents=True)
    (progress.progress_file() / "inside").write_text("mine")
    assert progress.done() == set()
    progress.record("logit_lens")
    out = capsys.readouterr().out
    assert "is left as it is" in out and "could not be saved" in out
    assert (progress.progress_file() / "inside").read_text() == "mine"


@pytest.mark.parametrize("holds", [None, "{ torn"])
def test_a_folder_that_cannot_be_written_costs_only_the_record(
    holds, tmp_path, monkeypatch, capsys
):
    if holds is None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("HEADS_TO_FEATURES_DATA", str(tmp_path / "file" / "below"))
    else:
        progress.record("logit_lens")
        progress.progress_file().write_text(holds)

        def refuse(*args, **kwargs):
            raise PermissionError("read-only")

        monkeypatch.setattr(Path, "rename", refuse)
    progress.record("logit_lens")
    assert "could not be saved" in capsys.readouterr().out
    progress.show_progress("00")
    if holds is not None:
        assert progress.progress_file().read_text() == holds


def test_kernels_at_the_same_time_lose_nothing():
    names = [f"exercise_{n}" for n in range(12)]
    threads = [threading.Thread(target=progress.record, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.done() == set(names)


def test_an_unknown_lesson_is_named():
    with pytest.raises(ValueError, match="No lesson '99'"):
        progress.show_progress("99")


def test_the_strip_in_a_notebook_needs_no_kernel_and_can_be_read(monkeypatch):
    progress.record("stripe_scores")
    progress.change(
        lambda kept: kept["predictions"].update(
            {
                "11.a": {"answer": 1, "shown": True, "right": True},
                "11.b": {"answer": 1, "shown": True, "right": False},
                "11.c": {"answer": None, "shown": True, "right": None},
                "42.a": {"answer": 1, "shown": True, "right": True},
                "42.b": {"answer": 1},
            }
        )
    )
    page = strip("11", monkeypatch)
    assert 'class="htf-progress"' in page
    assert "&#10003; stripe_scores" in page and "&#9675; ablation_hooks" in page
    assert "Predictions: 1 of 2 right here, 2 of 3 right in the course." in page
    found = text_contrasts(page)
    assert len(found) == len(progress.exercises()["11"])
    assert all(ratio >= 4.5 for _, ratio in found), found


def test_contrast_is_computed_as_wcag_does():
    """A check that cannot fail is none: what the first edition had is refused."""
    for style, at_most in [
        ("background:white;color:#D55E00", 4.0),
        ("color:#0072B2", 3.7),
        ("background:#0072B2;color:#009E73", 2),
    ]:
        ((_, ratio),) = text_contrasts(f'<b style="{style}">x</b>')
        assert ratio < at_most
    assert text_contrasts('<b style="background:white;color:black">x</b>')[0][1] == 21


def test_progress_goes_to_another_machine_and_back_without_loss(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    progress.record("logit_lens")
    early = {"answer": 3.0, "shown": True, "right": True}
    progress.change(lambda kept: kept["predictions"].update({"11.a": early, "11.b": {"answer": 1}}))
    first = progress.export_progress()
    again = progress.export_progress()
    assert first.name == "heads-to-features-progress.json" and again.name.endswith("-1.json")
    assert "import_progress" in capsys.readouterr().out

    monkeypatch.setenv("HEADS_TO_FEATURES_DATA", str(tmp_path / "elsewhere"))
    late = {"answer": 5.0, "shown": True, "right": False}
    progress.record("zero_ablated")
    progress.change(lambda kept: kept["predictions"].update({"11.a": late}))
    progress.import_progress(str(first))
    assert progress.done() == {"logit_lens", "zero_ablated"}
    assert progress.progress()["predictions"] == {"11.a": late, "11.b": {"answer": 1}}
    for wrong in ("missing.json", "torn.json"):
        (tmp_path / "torn.json").write_text("{")
        with pytest.raises(ValueError, match="no file that `export_progress` wrote"):
            progress.import_progress(wrong)
    assert progress.done() == {"logit_lens", "zero_ablated"}


def test_a_prediction_without_an_answer_gives_way_to_one_with(tmp_path):
    none, given = {"answer": None, "shown": True, "right": None}, {"answer": 1}
    path = progress.progress_file()
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"predictions": {"11.a": none, "11.b": given}}))
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"predictions": {"11.a": given, "11.b": none}}))
    progress.import_progress(str(other))
    assert progress.progress()["predictions"] == {"11.a": given, "11.b": given}


def test_on_colab_the_strip_says_that_the_machine_does_not_last(monkeypatch):
    assert "Drive" not in strip("11", monkeypatch)
    monkeypatch.setattr(progress, "on_colab", lambda: True)
    page = strip("11", monkeypatch)
    assert "Save a copy in Drive" in page and "export_progress()" in page


def test_a_view_is_text_outside_a_notebook(capsys):
    views.show(views.Html("<b>x</b>", "x"))
    assert capsys.readouterr().out == "x\n"
