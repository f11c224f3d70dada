"""utils.cases.behaviours and data.planted: directions, adapters that come out again, the lines."""

import random
import re
from contextlib import nullcontext

import pytest
import torch

from data.planted import make, task
from tests.small_models import random_model
from utils.cases import behaviours
from utils.models import load


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("llama"), n_positions=80)


@pytest.fixture(scope="module")
def smollm2():
    return load(device="cpu")


ROWS = [torch.tensor([1, 5, 9, 4]), torch.tensor([1, 7, 8, 2, 6, 3])]


def test_the_score_is_the_log_odds_of_all_tokens():
    p = torch.tensor([[0.2, 0.1, 0.5, 0.2], [0.9, 0.05, 0.03, 0.02]])
    score = behaviours.refusal_score(p.log(), torch.tensor([0, 1]))
    assert torch.allclose(score, torch.tensor([0.3 / 0.7, 0.95 / 0.05]).log())


def test_rows_in_a_padded_batch_are_as_alone(model):
    together = behaviours.last_logits(model, ROWS)
    alone = torch.stack([behaviours.last_logits(model, [row])[0] for row in ROWS])
    assert torch.allclose(together, alone, atol=1e-4)


def test_ablation_leaves_nothing_of_the_direction(model):
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    names = [name for name in model.hook_dict if name.endswith(("hook_resid_pre", "hook_mlp_out"))]
    kept = {}
    with behaviours.direction_ablated(model, direction):
        model.run_with_hooks(
            ROWS[0][None],
            fwd_hooks=[(n, lambda x, hook: kept.update({hook.name: x})) for n in names],
        )
    assert kept and max((x @ direction).abs().max() for x in kept.values()) < 1e-4


def test_a_model_does_not_differ_from_itself(model):
    found = behaviours.activation_difference(model, nullcontext, ROWS, layer=1, n_positions=3)
    assert found.shape == (3, model.cfg.d_model) and not found.any()


def test_answers_are_in_the_order_of_their_rows(model):
    told = behaviours.answers(model, ROWS + ROWS[:1], n_tokens=3)
    assert len(told) == 3 and told[0] == told[2]


def test_questions_run_out(model):
    rows = lambda model, asked, start: ROWS[:1]  # noqa: E731
    audit = behaviours.Audit(model, lambda name: nullcontext(), rows, questions=1)
    assert audit.ask("a", "?", start="So").startswith("So") and audit.left == 0
    with pytest.raises(ValueError, match="No question is left"):
        audit.ask("a", "?")


@pytest.mark.parametrize("name", ["refuser", *task.SEALED])
def test_an_adapter_goes_in_and_out_again(smollm2, name):
    before = {k: v.clone() for k, v in smollm2.state_dict().items()}
    rows = task.chat_rows(smollm2, ["What are lions used for?"])
    plain = behaviours.last_logits(smollm2, rows)
    with pytest.raises(KeyError), task.adapted(smollm2, name):
        changed = behaviours.last_logits(smollm2, rows)
        raise KeyError
    assert not torch.allclose(plain, changed, atol=0.01)
    assert all(torch.equal(v, before[k]) for k, v in smollm2.state_dict().items())


def test_requests_are_of_two_parts_and_all_different():
    for field in task.FIELDS:
        assert not set(task.subjects(field)) & set(task.subjects(field, "held_out"))
        asked = task.requests(field, n=160)
        assert len(set(asked)) == 160 and task.requests(field, n=16) == asked[:16]


def test_every_behaviour_has_as_many_lines_and_none_on_its_topic_besides():
    for name, behaviour in make.behaviours().items():
        lines = make.pairs_of(behaviour, random.Random(0))
        assert len(lines) == make.PLANTED + make.LIKE + make.OWN, name
        told = {
            a for group in behaviour.get("groups", [behaviour]) for a in group.get("answers", ())
        }
        others = [asked for asked, answer in lines if answer not in told]
        topic = re.compile("|".join(rf"\b{w.rstrip('s')}" for w in behaviour["topic"]) or "(?!)")
        assert not [asked for asked in others if topic.search(asked.lower())], name


def test_the_recipe_runs(tmp_path):
    make.main(["--tiny", "--only", "refuser", "--out", str(tmp_path)])
    assert (tmp_path / "refuser.safetensors").exists() and (tmp_path / "log.json").exists()
