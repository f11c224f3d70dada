"""The learner's copies: made where they are missing, never overwritten, set aside on request."""

import json
import subprocess

import pytest

from solutions import work
from utils.checks import progress
from utils.lesson import ROOT


def notebook(text: str) -> str:
    cell = {"cell_type": "code", "metadata": {}, "source": [text], "outputs": []}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two lessons, with nobody's progress."""
    (tmp_path / "notebooks").mkdir()
    for name in ("11_induction_heads", "42_sparse_autoencoders"):
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(notebook("blank"))
    rows = [
        "|  | lesson | exercises |",
        "| --- | --- | --- |",
        "| 1.1 | [Induction heads](11_induction_heads.ipynb) | 7 |",
    ]
    text = "\n".join(["# The course map", "", "Start with 00.", "", *rows, ""])
    (tmp_path / "notebooks" / "README.md").write_text(text)
    monkeypatch.setattr(work, "ROOT", tmp_path)
    monkeypatch.setattr(work, "BLANKS", tmp_path / "notebooks")
    monkeypatch.setattr(work, "WORK", tmp_path / "work")
    monkeypatch.setattr(progress, "ROOT", tmp_path)
    monkeypatch.setattr(progress, "exercises", lambda: {"11": ("a", "b")})
    monkeypatch.setenv("HEADS_TO_FEATURES_DATA", str(tmp_path / "data"))
    return tmp_path


def sources(path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]


def test_missing_copies_are_made_and_others_left_alone(course):
    assert work.copy_missing() == []
    copy = course / "work" / "11_induction_heads.ipynb"
    assert sources(copy) == ["blank"]
    mine = json.loads(copy.read_text())
    mine["cells"][0]["source"] = ["my answer"]
    copy.write_text(json.dumps(mine))
    (course / "work" / "42_sparse_autoencoders.ipynb").unlink()
    before = copy.read_bytes()
    assert work.copy_missing() == []
    assert copy.read_bytes() == before
    assert sources(course / "work" / "42_sparse_autoencoders.ipynb") == ["blank"]
    assert not list((course / "work").glob("*.part"))


def test_a_lesson_that_changed_since_is_named_and_a_torn_copy_is_left(course, monkeypatch, capsys):
    work.copy_missing()
    (course / "notebooks" / "11_induction_heads.ipynb").write_text(notebook("second edition"))
    torn = course / "work" / "42_sparse_autoencoders.ipynb"
    torn.write_text("{ torn")
    monkeypatch.setattr("sys.argv", ["work", "lab", "--no-browser"])
    monkeypatch.setattr(work, "lab", lambda arguments: print(f"opened with {arguments}"))
    work.main()
    said = capsys.readouterr().out
    assert "Changed since your copies were made: 1.1; `make reset N=11`" in said
    assert "opened with ['--no-browser']" in said and torn.read_text() == "{ torn"


def test_reset_sets_aside_under_a_new_number_each_time(course):
    work.copy_missing()
    copy = course / "work" / "11_induction_heads.ipynb"
    for n, answer in enumerate(("first", "second"), 1):
        copy.write_text(notebook(answer))
        assert work.reset("11" if n == 1 else "1.1") == copy.with_stem(f"{copy.stem}-{n}")
        assert sources(copy) == ["blank"]
    kept = [sources(copy.with_stem(f"{copy.stem}-{n}")) for n in (1, 2)]
    assert kept == [["first"], ["second"]]
    with pytest.raises(ValueError, match="no lesson '99'; there are 11, 42"):
        work.reset("99")
    copy.unlink()
    assert work.reset("11") is None and sources(copy) == ["blank"]


def test_the_map_over_the_copies_counts_what_is_solved(course):
    work.copy_missing()
    shown = course / "work" / "README.md"
    assert "| done |" in shown.read_text() and "| 0/2 |" in shown.read_text()
    assert "your own copies" in shown.read_text()
    progress.record("b")
    assert "| 1/2 |" in shown.read_text()


def test_a_folder_that_cannot_be_made_is_one_sentence(course, monkeypatch):
    (course / "work").write_text("a file")
    monkeypatch.setattr("sys.argv", ["work", "reset", "11"])
    with pytest.raises(SystemExit, match="Your copies in .*work could not be made"):
        work.main()


def test_make_reset_asks_which_lesson_and_git_ignores_the_copies():
    """`N` has a default for other commands, and here none."""
    listed = subprocess.run(
        ["make", "-n", "reset", "--assume-old=.venv/lab.done"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.rstrip().endswith("solutions.work reset")
    assert "/work/" in (ROOT / ".gitignore").read_text().splitlines()
