"""What the engine of the checks does for every check, shown on checks of its own."""

from dataclasses import dataclass

import pytest
import torch

from utils.checks.engine import CORRECT, NOT_ATTEMPTED, WRONG, exercise, match
from utils.heads import head_name


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
    ],
)
def test_a_changed_input_is_wrong_and_named(name, action):
    verdict = check_total.verdict(_spoil(action))
    assert verdict.state == WRONG and f"its input `{name}` itself" in verdict.message, verdict
    assert check_total.verdict(total).state == CORRECT


def test_what_an_exercise_is_to_change_may_change():
    @exercise("double", changes=["x"])
    def check_double(double) -> str:
        match(double(torch.ones(2)), torch.full((2,), 2.0), what="The result", mistakes={})
        return "Right."

    assert check_double.verdict(lambda x: x.mul_(2)).state == CORRECT


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


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_verdict_can_be_read_in_any_theme():
    import re

    for learner in (total, lambda *_, **__: None, lambda *_, **__: ...):
        page = check_total.verdict(learner)._repr_html_()
        grounds = re.findall(r"background:(#\w{6})", page)
        inks = re.findall(r"[; \"]color:(#\w{6})", page)
        assert grounds and inks
        for ink in inks:
            light, dark = sorted([_luminance(ink), _luminance(grounds[0])], reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_where_the_course_s_version_does_more_the_lesson_goes_on_with_it(capsys):
    @exercise("utils.heads.head_name", course_only=True)
    def check_head_name(head_name) -> str:
        return "Right."

    assert check_head_name(lambda head: "L0H0") is head_name
    assert "course's version, which does more." in capsys.readouterr().out
