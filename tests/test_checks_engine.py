"""What the engine of the checks does for every check, shown on checks of its own."""

from dataclasses import dataclass

import pytest
import torch

from tests.contrast import text_contrasts
from utils.checks import engine, inputs, progress
from utils.checks.engine import (
    CORRECT,
    NOT_ATTEMPTED,
    WRONG,
    exercise,
    expect,
    investigation,
    match,
)
from utils.heads import head_name
from utils.stats import percentiles


@dataclass
class Probe:
    weights: torch.Tensor


class Cache:
    def __init__(self):
        self.cache_dict = {"z": torch.ones(2)}


@exercise("total")
def check_total(total) -> str:
    """Hands over each kind of thing that a learner may change by mistake."""
    model = torch.nn.Linear(2, 2)
    got = total(torch.ones(2), [1, 2], Cache(), Probe(torch.ones(2)), model=model)
    match(got, torch.tensor(2.0), what="The total", mistakes={})
    return "Right."


def total(x, heads, cache, probe, *, model):
    return x.sum()


def _spoil(action):
    def total(x, heads, cache, probe, *, model):
        result = x.sum().clone()
        action(x, heads, cache, probe, model)
        return result

    return total


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("x", lambda x, heads, cache, probe, model: x.zero_()),
        ("x", lambda x, heads, cache, probe, model: x.requires_grad_()),
        ("x", lambda x, heads, cache, probe, model: x.resize_(1)),
        ("heads", lambda x, heads, cache, probe, model: heads.pop()),
        ("heads", lambda x, heads, cache, probe, model: heads.reverse()),
        ("cache", lambda x, heads, cache, probe, model: cache.cache_dict["z"].add_(1)),
        ("cache", lambda x, heads, cache, probe, model: cache.cache_dict.update(q=1)),
        ("probe", lambda x, heads, cache, probe, model: probe.weights.mul_(2)),
        ("probe", lambda x, heads, cache, probe, model: setattr(probe, "weights", None)),
        ("model", lambda x, heads, cache, probe, model: model.weight.data.zero_()),
        ("model", lambda x, heads, cache, probe, model: model.eval()),
        ("model", lambda x, heads, cache, probe, model: model.register_forward_hook(print)),
        ("model", lambda x, heads, cache, probe, model: model.register_full_backward_hook(print)),
        ("model", lambda x, heads, cache, probe, model: model.requires_grad_(False)),
    ],
)
def test_a_changed_input_is_wrong_and_named(name, action):
    verdict = check_total.verdict(_spoil(action))
    assert verdict.state == WRONG and f"its input `{name}` itself" in verdict.message, verdict
    assert check_total.verdict(total).state == CORRECT


def test_a_result_needs_the_gradient_of_its_inputs():
    @exercise("loss")
    def check_loss(loss) -> str:
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        match(loss(x), 5.0, what="The loss", mistakes={})
        return "Right."

    assert check_loss.verdict(lambda x: x.pow(2).sum()).state == CORRECT
    for lost in (
        lambda x: x.pow(2).sum().item(),
        lambda x: x.detach().pow(2).sum(),
        torch.no_grad()(lambda x: x.pow(2).sum()),
        lambda x: torch.tensor(5.0, requires_grad=True),
    ):
        verdict = check_loss.verdict(lost)
        assert verdict.state == WRONG and "has no gradient" in verdict.message


def test_half_precision_is_no_right_answer():
    verdict = check_total.verdict(lambda x, *_, model: x.sum().half())
    assert verdict.state == WRONG and "half precision" in verdict.message


def test_the_learner_s_failing_line_is_shown():
    def total(x, heads, cache, probe, *, model):
        y = x.sum()
        return y + heads["first"]  # a list

    verdict = check_total.verdict(total)
    assert 'TypeError at `return y + heads["first"]  # a list`' in verdict.message
    assert "<code" in verdict._repr_html_() and "`" not in verdict._repr_html_()


def test_an_error_of_a_library_is_not_a_blank():
    def total(x, heads, cache, probe, *, model):
        return torch.nn.Module()(x)  # raises NotImplementedError far from here

    assert check_total.verdict(total).state == WRONG

    def blank(x, heads, cache, probe, *, model):
        raise NotImplementedError  # your code here

    assert check_total.verdict(blank).state == NOT_ATTEMPTED


def test_a_check_that_cannot_read_a_result_says_what_it_got():
    @exercise("pair")
    def check_pair(pair) -> str:
        first, second = pair(torch.ones(3))
        match(first, 1.0, what="The first", mistakes={})
        return "Right."

    verdict = check_pair.verdict(lambda x: x)
    assert verdict.state == WRONG and "a tensor of shape (3,)" in verdict.message
    assert "too many values to unpack" in verdict.message


def test_a_verdict_can_be_read_in_any_theme():
    for learner in (total, lambda *_, **__: None, lambda *_, **__: ...):
        page = check_total.verdict(learner)._repr_html_()
        assert min(contrast for _, contrast in text_contrasts(page)) >= 4.5


def test_where_the_course_s_version_does_more_the_lesson_goes_on_with_it(capsys):
    @exercise("utils.heads.head_name", course_only=True)
    def check_head_name(head_name) -> str:
        return "Right."

    assert check_head_name(lambda head: "L0H0") is head_name
    assert "course's version, which does more." in capsys.readouterr().out


def test_a_check_that_runs_twice_does_not_take_the_course_s_version_for_the_learner_s(
    monkeypatch, capsys
):
    @exercise("utils.heads.head_name")
    def check_head_name(head_name) -> str:
        match(len(head_name((3, 4))), 4, what="Its length", mistakes={})
        return "Right."

    solved = []
    monkeypatch.setattr(progress, "record", solved.append)
    function = check_head_name(lambda head: "no")
    assert check_head_name(function) is head_name and solved == []
    assert "This is the course's version" in capsys.readouterr().out
    check_head_name(lambda head: f"L{head[0]}H{head[1]}")
    assert solved == ["head_name"]


def test_a_blank_is_known_without_its_source_and_not_by_its_helpers():
    scope = {}
    exec("def total(*_, **__):\n    raise NotImplementedError", scope)
    assert check_total.verdict(scope["total"]).state == NOT_ATTEMPTED

    def helper():
        raise NotImplementedError

    verdict = check_total.verdict(lambda *_, **__: helper())
    assert verdict.state == WRONG and "NotImplementedError" in verdict.message


def test_torch_is_left_as_it_was():
    def spoilt(x, heads, cache, probe, *, model):
        torch.set_grad_enabled(False)
        return x.sum()

    assert "switches gradients" in check_total.verdict(spoilt).message
    assert torch.is_grad_enabled()

    @exercise("draw")
    def check_draw(draw) -> str:
        draw(generator=torch.Generator().manual_seed(0))
        return "Right."

    for seeds in (lambda *, generator: torch.rand(2), lambda *, generator: torch.manual_seed(0)):
        assert "*global* generator" in check_draw.verdict(seeds).message
    assert check_draw.verdict(lambda *, generator: torch.rand(2, generator=generator)).state == (
        CORRECT
    )


def test_a_result_in_double_is_wrong_where_a_model_goes_on_with_it():
    def examine(copied) -> str:
        match(copied(torch.ones(2)), torch.ones(2), what="The copy", mistakes={})
        return "Right."

    verdict = exercise("copied")(examine).verdict(lambda x: x.double())
    assert verdict.state == WRONG and "float64" in verdict.message
    assert (
        exercise("copied", in_double=True)(examine).verdict(lambda x: x.double()).state == CORRECT
    )


@pytest.mark.parametrize(
    ("before", "after", "alike"),
    [
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), True),
        (torch.tensor(float("inf")), torch.tensor(torch.finfo(torch.float32).max), False),
        (torch.eye(2).to_sparse(), torch.eye(2).to_sparse(), True),
        (torch.eye(2).to_sparse(), torch.zeros(2, 2).to_sparse(), False),
        (torch.tensor([True]), torch.tensor([False]), False),
        ({1: 2, 3: 4}, {3: 4, 1: 2}, False),
    ],
)
def test_states_are_the_same_to_the_last_bit(before, after, alike):
    assert inputs.same(inputs.state(before), inputs.state(after)) == alike


def test_what_does_not_run_on_the_gpu_is_right_and_left_aside(monkeypatch, capsys):
    """A device without storage stands for the GPU: it refuses tensors of the CPU too."""

    @exercise("utils.stats.percentiles")
    def check_percentiles(percentiles) -> str:
        match(percentiles(torch.ones(2)), torch.ones(2), what="The result", mistakes={})
        return "Right."

    def mixes(x):
        return x * torch.ones(2)

    def stays(x):
        return x * torch.ones(2, device=x.device)

    assert check_percentiles(mixes) is mixes
    monkeypatch.setattr(engine, "_gpu", lambda: "meta")
    assert check_percentiles(stays) is stays
    capsys.readouterr()
    assert check_percentiles(mixes) is percentiles
    said = capsys.readouterr().out
    assert "percentiles: correct." in said and "does not run on this GPU" in said


@investigation("the_head", course=(4, 1))
def check_the_head(answer) -> str:
    expect(tuple(answer) == (4, 1), "That is another head.")
    return "That is the one."


def test_an_answer_has_three_states_and_goes_on_in_the_course_s_form(capsys, monkeypatch):
    monkeypatch.delenv("HEADS_TO_FEATURES_EXPECT", raising=False)
    recorded = []
    monkeypatch.setattr(progress, "record", recorded.append)
    assert check_the_head.verdict([4, 1]).state == CORRECT
    assert check_the_head.verdict((4, 2)).message == "That is another head."
    assert "cannot use your answer" in check_the_head.verdict(7).message
    assert check_the_head([4, 1]) == (4, 1) and recorded == ["the_head"]
    for answer, state in [(..., NOT_ATTEMPTED), ((4, 2), WRONG), (7, WRONG)]:
        handed = check_the_head(answer)
        assert handed == (4, 1) and f"the_head: {state}" in (said := capsys.readouterr().out)
        assert "(4, 1)" not in said and "the course's answer" in said
        assert check_the_head.verdict(handed).state == NOT_ATTEMPTED, "the cell ran twice"
        assert check_the_head.verdict(tuple([4, 1])).state == CORRECT
    assert recorded == ["the_head"]


def test_an_answer_must_be_found_in_a_test_of_a_solved_lesson(monkeypatch):
    monkeypatch.setenv("HEADS_TO_FEATURES_EXPECT", "correct")
    with pytest.raises(engine.Unsolved, match="the_head: wrong"):
        check_the_head((4, 2))
