"""Predictions: committed before the result, scored once after it."""

import json
import re

import numpy as np
import pytest
import torch

from tests.contrast import text_contrasts
from utils.checks import predict as predictions
from utils.checks.predict import answer, outcome, predict
from utils.checks.progress import progress, progress_file
from utils.lesson import ROOT

CHOICES = ["about 3", "about 11"]


@pytest.fixture(autouse=True)
def shown(tmp_path, monkeypatch) -> list:
    monkeypatch.setenv("HEADS_TO_FEATURES_DATA", str(tmp_path / "data"))
    new_kernel(monkeypatch)
    views: list = []
    monkeypatch.setattr(predictions, "show", views.append)
    return views


def new_kernel(monkeypatch) -> None:
    monkeypatch.setattr(predictions, "_asked", {})
    monkeypatch.setattr(predictions, "_unanswered", set())


@pytest.fixture
def notebook(monkeypatch):
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())


def kept(key: str) -> dict:
    return progress()["predictions"][key]


def test_without_widgets_a_question_is_text_that_says_how_to_answer(shown):
    predict("11.repeat", "The loss?", choices=CHOICES)
    said = repr(shown[0])
    assert "The loss?" in said and "- about 11" in said
    assert "import answer; answer('11.repeat', 'about 3')`" in said
    assert answer("11.repeat", "about 3").startswith("Committed: about 3")
    outcome("11.repeat", "about 3")
    assert "You said about 3: right." in repr(shown[1])
    assert kept("11.repeat") == {"answer": "about 3", "shown": True, "right": True}


def test_an_unanswered_prediction_scores_nothing_and_blocks_nothing(shown):
    predict("11.repeat", "The loss?", choices=CHOICES)
    outcome("11.repeat", "about 3")
    assert "about 3. No prediction was made." in repr(shown[1])
    assert answer("11.repeat", "about 3") == predictions.LATE
    outcome("11.repeat", "about 3")
    assert "No prediction was made." in repr(shown[-1])
    predict("11.repeat", "The loss?", choices=CHOICES)
    assert "did not answer before" in repr(shown[-1])
    assert progress()["predictions"] == {} and not progress_file().exists()


def test_run_all_takes_no_prediction_away_from_a_later_kernel(shown, monkeypatch):
    predict("11.repeat", "The loss?", choices=CHOICES)
    outcome("11.repeat", "about 3")
    new_kernel(monkeypatch)
    predict("11.repeat", "The loss?", choices=CHOICES)
    assert "- about 11" in repr(shown[-1])
    assert answer("11.repeat", "about 3").startswith("Committed")
    outcome("11.repeat", "about 3")
    assert kept("11.repeat") == {"answer": "about 3", "shown": True, "right": True}
    assert "You said about 3: right." in repr(shown[-1])


def test_what_an_earlier_edition_kept_of_run_all_can_be_answered(shown):
    progress_file().parent.mkdir(parents=True)
    none = {"answer": None, "shown": True, "right": None}
    progress_file().write_text(json.dumps({"predictions": {"11.repeat": none}}))
    predict("11.repeat", "The loss?", choices=CHOICES)
    assert answer("11.repeat", "about 3").startswith("Committed")


def test_in_the_solved_lesson_nothing_is_kept_and_nothing_scored(shown, monkeypatch):
    answer("11.repeat", "about 3")
    monkeypatch.chdir(ROOT / "solutions")
    predict("11.n", "How many nats?")
    assert answer("11.n", 3) == predictions.SOLVED
    outcome("11.n", 3.0, factor=2)
    outcome("11.repeat", "about 3")
    assert progress()["predictions"] == {"11.repeat": {"answer": "about 3"}}


def test_an_answer_may_change_until_the_result_is_shown_and_not_after(shown):
    answer("11.repeat", "about 3")
    answer("11.repeat", "about 11")
    outcome("11.repeat", "about 3")
    assert answer("11.repeat", "about 3") == predictions.LATE
    outcome("11.repeat", "about 3")
    assert kept("11.repeat") == {"answer": "about 11", "shown": True, "right": False}
    assert "not what came out" in repr(shown[-1])


@pytest.mark.parametrize(
    ("given", "right", "rule", "good"),
    [
        (2.1, 3.0, {"factor": 1.5}, True),
        (4.4, 3.0, {"factor": 1.5}, True),
        (1.9, 3.0, {"factor": 1.5}, False),
        (4.6, 3.0, {"factor": 1.5}, False),
        (-3.0, 3.0, {"factor": 1.5}, False),
        (0.0, 3.0, {"factor": 1.5}, False),
        (-3.0, -3.2, {"factor": 1.5}, True),
        (0.2, 0.0, {"within": 0.25}, True),
        (0.3, 0.0, {"within": 0.25}, False),
        (3.0, float("nan"), {"factor": 1.5}, False),
        (3.0, float("nan"), {"within": 5}, False),
        (3.0, torch.tensor(2.9), {"factor": 1.5}, True),
        (3.0, torch.tensor([9.0]), {"within": 1}, False),
        (3.0, np.float64(2.9), {"within": 1}, True),
        (3.0, np.float32(9), {"factor": 1.5}, False),
        (torch.tensor(2.5), 3, {"within": np.float64(1)}, True),
        (np.float32(2.5), np.int64(3), {"factor": np.float64(2)}, True),
        (3, 3, {"within": 0}, True),
    ],
)
def test_a_number_is_right_within_a_margin(given, right, rule, good):
    answer("11.n", given)
    outcome("11.n", right, **rule)
    assert kept("11.n")["right"] is good


def test_a_measured_0_has_no_factor():
    with pytest.raises(ValueError, match="factor of a measured 0: give `within`"):
        outcome("11.n", torch.tensor(0.0), factor=1.5)


NO_NUMBERS = ["abc", "", None, float("nan"), "inf", "1e999", torch.ones(2)]
NO_NUMBERS += [pytest.param(10**400, id="10**400")]


@pytest.mark.parametrize("given", NO_NUMBERS)
def test_an_answer_that_is_no_number_is_refused(given):
    predict("11.n", "How many nats?")
    assert answer("11.n", given) == "Write a number, such as 1.5."
    assert progress()["predictions"] == {}


@pytest.mark.parametrize("given", ["about 4", "", None, 3, torch.ones(2), np.ones(2)])
def test_an_answer_that_is_no_choice_is_refused(given):
    predict("11.repeat", "The loss?", choices=CHOICES)
    assert answer("11.repeat", given).endswith("then commit: about 3, about 11.")
    assert progress()["predictions"] == {}


@pytest.mark.parametrize("given", ["2,5", "2.5 ", 2.5, np.float32(2.5), torch.tensor([2.5])])
def test_an_answer_is_read_as_the_form_reads_it(given, shown):
    predict("11.n", "How many nats?")
    assert answer("11.n", given).startswith("Committed: 2.5. ")
    assert kept("11.n") == {"answer": 2.5}
    outcome("11.n", 2.6, within=0.2)
    assert "You said 2.5: right." in repr(shown[-1])


@pytest.mark.parametrize("rule", [{}, {"within": 1, "factor": 2}])
def test_a_number_needs_one_margin(rule):
    with pytest.raises(ValueError, match="either `within` or `factor`"):
        outcome("11.n", 3.0, **rule)


def test_in_a_notebook_a_choice_is_committed_by_a_button(shown, notebook):
    predict("11.repeat", "The loss?", choices=CHOICES)
    live = shown[0]
    assert "<li>about 11</li>" in live._repr_mimebundle_()["text/html"]
    _, field, button, status = live.box.children
    assert field.value is None and "htf-predict" in live.box._dom_classes
    button.click()
    assert "Choose" in status.value and not progress()["predictions"]
    field.value = "about 11"
    assert not progress()["predictions"], "choosing is not committing"
    button.click()
    assert "Committed: about 11" in status.value and kept("11.repeat")["answer"] == "about 11"
    outcome("11.repeat", "about 3")
    field.value = "about 3"
    button.click()
    assert predictions.LATE in status.value and kept("11.repeat")["answer"] == "about 11"


def test_in_a_notebook_a_number_may_be_typed_in_two_ways(shown, notebook):
    predict("11.n", "How many nats?")
    _, field, button, status = shown[0].box.children
    for typed, said in [
        ("x", "Write a number"),
        ("nan", "Write a number"),
        ("2,5", "Committed: 2.5"),
    ]:
        field.value = typed
        button.click()
        assert said in status.value
    assert kept("11.n") == {"answer": 2.5}
    predict("11.n", "How many nats?")
    assert shown[1].box.children[1].value == "2.5"


def test_colours_can_be_read_and_questions_are_escaped(shown):
    predict("11.repeat", "Is 1 < 2?", choices=["<b>"])
    outcome("11.repeat", "<b>")
    for view in shown:
        page = view._repr_html_()
        assert "&lt;b&gt;" in page
        found = text_contrasts(page)
        assert len(found) == 2 and all(ratio >= 4.5 for _, ratio in found), found
        assert re.search("role=.(group|status)", page)


def test_a_folder_that_cannot_be_written_blocks_nothing(tmp_path, monkeypatch, shown):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADS_TO_FEATURES_DATA", str(tmp_path / "file" / "below"))
    predict("11.repeat", "The loss?", choices=CHOICES)
    assert answer("11.repeat", "about 3") == "Your answer could not be saved."
    outcome("11.repeat", "about 3")
    assert "No prediction was made" in repr(shown[-1])
