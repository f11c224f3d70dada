"""The learner's copies: made where they are missing, never overwritten, set aside on request."""

import json
import os
import subprocess
from pathlib import Path

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
    assert not list((course / "work").glob("*.part")) and not list((course / "work").glob(".*"))


def test_a_copy_that_somebody_makes_meanwhile_is_kept(course, monkeypatch):
    """Two `make lab` at once: the other's copy comes while this one is written."""
    (course / "work").mkdir()
    copy = course / "work" / "11_induction_heads.ipynb"
    write, seen = Path.write_text, []

    def meanwhile(path, *args, **kwargs):
        if path.suffix == ".part" and "induction" in path.name:
            seen.append(path.name)
            write(copy, "mine")
        return write(path, *args, **kwargs)

    def rename(path, target):
        raise AssertionError(f"{path} would go over {target}")

    monkeypatch.setattr(Path, "write_text", meanwhile)
    monkeypatch.setattr(Path, "rename", rename)
    work.copy_missing()
    assert copy.read_text() == "mine" and str(os.getpid()) in seen[0]


@pytest.mark.parametrize("error", [PermissionError("no links"), NotImplementedError()])
def test_copies_are_made_where_there_are_no_links(course, monkeypatch, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(os, "link", refuse)
    assert work.copy_missing() == []
    copy = course / "work" / "11_induction_heads.ipynb"
    assert sources(copy) == ["blank"]
    copy.write_text("mine")
    work._copy(course / "notebooks" / copy.name)
    assert copy.read_text() == "mine" and not list((course / "work").glob(".*"))


def test_a_copy_of_a_renamed_lesson_is_named(course, monkeypatch, capsys):
    work.copy_missing()
    work.reset("11")
    blank = course / "notebooks" / "11_induction_heads.ipynb"
    blank.rename(blank.with_name("11_induction.ipynb"))
    (course / "work" / "11_notes.ipynb").write_text(notebook("my own"))
    monkeypatch.setattr("sys.argv", ["work", "lab"])
    monkeypatch.setattr(work, "lab", lambda arguments: None)
    work.main()
    said = "work/11_induction_heads.ipynb is of an older edition of lesson 1.1.\n"
    assert capsys.readouterr().out == said
    (course / "notebooks" / "42_sparse_autoencoders.ipynb").write_text(notebook("second"))
    work.main()
    out = capsys.readouterr().out
    assert out.startswith("Changed since your copies were made: 4.2; ") and out.endswith(said)
    assert len(out.splitlines()) == 1


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
    assert sorted(path.name for path in shown.parent.iterdir())[-1] == "README.md"


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "\nmy notes\n",
        lambda text: text.replace("Start with 00.", "I start with 4.2."),
        lambda text: "# My plan\n\n" + text,
        lambda text: text.partition("\n\n")[2],
        lambda text: "",
    ],
)
def test_a_map_into_which_the_learner_wrote_is_left_alone(course, edit):
    work.copy_missing()
    shown = course / "work" / "README.md"
    mine = edit(shown.read_text())
    shown.write_text(mine)
    progress.record("b")
    work.copy_missing()
    assert shown.read_text() == mine
    shown.unlink()
    progress.record("a")
    assert "| 2/2 |" in shown.read_text()


def test_a_map_is_written_whole_or_not_at_all(course, monkeypatch):
    work.copy_missing()
    shown = course / "work" / "README.md"
    before, write = shown.read_text(), Path.write_text

    def half(path, text, **kwargs):
        write(path, text[: len(text) // 2], **kwargs)
        if "README" in path.name:
            raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", half)
    progress.write_map()
    assert shown.read_text() == before and not list(shown.parent.glob(".*"))


def test_where_workspaces_go_is_said_once():
    """In work.py, which people without make call as well."""
    assert "WORKSPACES" not in (ROOT / "Makefile").read_text()
    assert (ROOT / "solutions" / "work.py").read_text().count("WORKSPACES") == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(course, monkeypatch):
    (course / "work").write_text("a file")
    monkeypatch.setattr("sys.argv", ["work", "reset", "11"])
    with pytest.raises(SystemExit, match="Your copies in .*work could not be made"):
        work.main()


def test_make_reset_asks_which_lesson_and_git_ignores_the_copies():
    """`N` has a default for other commands, and here none."""
    listed = subprocess.run(
        ["make", "-n", "--no-print-directory", "reset", "--assume-old=.venv/lab.done"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.rstrip().endswith("solutions.work reset")
    assert "/work/" in (ROOT / ".gitignore").read_text().splitlines()
