"""utils.cases.binding and data.binding: stories, interventions, the recipe and the toys."""

import pytest
import torch

from data.binding import make, task
from utils.cases import binding
from utils.models import load


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model():
    return make.new_model(make.TINY, seed=0).eval()


@pytest.mark.parametrize("form", task.FORMS)
def test_words_stand_where_a_story_says(form):
    names, drinks = task.draw_words(20, 3, generator=seeded())
    story = task.write_story(names, drinks, form=form, fillers=3, generator=seeded(1))
    assert torch.equal(story.tokens.gather(1, story.name_at), names)
    assert torch.equal(story.tokens.gather(1, story.drink_at), drinks)
    assert len(story.name_at[:, 0].unique()) > 1  # no fixed position
    assert (story.tokens == task.COMMA).sum(1).unique().tolist() == [3 if form == "clauses" else 2]


def test_a_story_reads_as_it_should():
    names, drinks = torch.tensor([[14, 15]]), torch.tensor([[22, 23]])
    told = {
        form: task.text(
            task.write_story(names, drinks, form=form, fillers=0, generator=seeded()).tokens[0]
        )
        for form in task.FORMS
    }
    assert told["clauses"] == "<bos> Amy tea , Bob milk ,"
    assert told["lists"] == "<bos> Amy Bob , tea milk ,"


@pytest.mark.parametrize("form", task.FORMS)
def test_accounts_differ_and_the_fillers_do_not(form):
    pairs = binding.draw_stories(50, 3, form=form, generator=seeded(2))
    name, place, drink = pairs.answers
    assert not (name == place).any() and not (name == drink).any() and not (place == drink).any()
    filler = pairs.base < task.FIRST_ORDINAL
    assert torch.equal(pairs.base[filler], pairs.source[filler])
    assert torch.equal(pairs.base[:, -1], pairs.source[:, -1])
    moved = pairs.base.gather(1, pairs.name_at) != pairs.source.gather(1, pairs.name_at)
    assert (moved.sum(1) == 2).all()


def test_an_exchange_with_itself_changes_nothing_and_with_all_everything(model):
    pairs = binding.draw_stories(12, 2, form="lists", generator=seeded(3))
    every = torch.arange(pairs.base.shape[1]).expand(len(pairs.base), -1)
    hook = ["blocks.0.hook_resid_pre"]
    with torch.no_grad():
        own, theirs = (model(x)[:, -1].argmax(-1) for x in (pairs.base, pairs.source))
    for source, right in ((pairs.base, own), (pairs.source, theirs)):
        said = binding.interchange(model, pairs.base, source, hook, at=every, source_at=every)
        assert torch.equal(said[0], right)


def test_an_exchange_of_ids_moves_two_positions_by_opposite_steps():
    means, resid = torch.randn(3, 5, generator=seeded()), torch.randn(4, 6, 5, generator=seeded(1))
    at = torch.tensor([[1, 2, 3]] * 4)
    _, hook = binding.exchange_ids(means, at, "h", places=(0, 2))
    moved = hook(resid, None) - resid
    assert torch.allclose(moved[:, 1], (means[2] - means[0]).expand(4, -1), atol=1e-6)
    assert torch.allclose(moved.sum(1), torch.zeros(4, 5), atol=1e-6)
    assert not moved[:, [0, 2, 4, 5]].any()


def test_a_search_gives_orthonormal_columns(model):
    random = seeded(4)
    basis = binding.search(
        model,
        lambda: binding.draw_stories(8, 2, form="clauses", generator=random),
        name="blocks.1.hook_resid_pre",
        account="place",
        rank=2,
        steps=2,
        generator=seeded(),
    )
    assert torch.allclose(basis.T @ basis, torch.eye(2), atol=1e-5)


@pytest.mark.parametrize("name", ["toy", "belief", "twin"])
def test_the_recipe_runs(name, tmp_path):
    make.main(["--tiny", "--name", name, "--out", str(tmp_path)])
    assert (tmp_path / name / "model.safetensors").exists()


def test_the_shipped_toys_can_do_their_tasks():
    for name, forms in {"toy": task.FORMS, "twin": ("clauses",)}.items():
        found = make.evaluate(load(f"binding/{name}", device="cpu"), make.Recipe(), pairs=(2,))
        assert all(found[f"{form}, 2, name"] > 0.95 for form in forms)
    recipe, _ = make.RECIPES["belief"]
    found = make.evaluate(load("binding/belief", device="cpu"), recipe)
    assert found["after a change"] > 0.95
