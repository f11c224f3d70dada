"""data/othello: the recipe runs, and the shipped model knows the rules as its README says."""

import json

import pytest
import torch

from data.othello import make
from data.othello.task import MAX_MOVES, NO_MOVE, random_games, replay
from utils import models

LOG = json.loads((make.HERE / "log.json").read_text(encoding="utf-8"))


def test_the_recipe_runs_end_to_end(tmp_path):
    make.main(["--tiny", "--out", str(tmp_path)])
    made = json.loads((tmp_path / "log.json").read_text(encoding="utf-8"))
    assert set(made) == set(LOG) and set(made["log"]) == set(LOG["log"])
    assert made["log"]["step"] == [0, 15, 30]
    assert made["log"]["loss"][-1] < made["log"]["loss"][0] - 0.3  # it learns, even so
    assert len(made["seen_before"]) == MAX_MOVES
    model = models.load(tmp_path / "trained", device="cpu")
    recipe = make.Recipe(**made["recipe"])
    games = random_games(recipe.eval_games, generator=torch.Generator().manual_seed(10_000))
    again = make.evaluate(model, games, replay(games))
    assert again["loss"] == pytest.approx(made["log"]["loss"][-1], abs=1e-4)  # what is saved


@pytest.mark.parametrize("option", ["--tiny", "--single"])
def test_a_trial_does_not_overwrite_what_is_shipped(option):
    with pytest.raises(SystemExit):
        make.main([option])


def test_side_branches_are_scored_alike_and_single_games_by_their_move():
    games = random_games(5, generator=torch.Generator().manual_seed(0))
    played = replay(games)
    legal = played.legal[:, :-1]
    sure = torch.where(legal, 0.0, -50.0)  # the best there is: all legal moves alike
    n_legal = legal.sum(-1)[played.going[:, :-1]]
    best = n_legal.float().log().mean()
    torch.testing.assert_close(make.next_move_loss(sure, played), best)
    torch.testing.assert_close(make.next_move_loss(sure, played, games=games), best)
    told = torch.full_like(sure, -50.0).scatter(2, games.clamp(min=0)[..., None], 0.0)
    assert make.next_move_loss(told, played, games=games) < 1e-6  # knows what will be played
    assert make.next_move_loss(told, played) > 10


def test_prefixes_are_found_among_the_training_games():
    old = torch.tensor([[8, 7, 1], [8, 3, NO_MOVE]])
    new = torch.tensor([[8, 7, 2], [8, 3, NO_MOVE], [9, 7, 1], [8, 9, 1]])
    assert make.seen_before(new, old) == [0.75, 0.5, 0.0]


def test_the_shipped_model_knows_the_rules():
    """On games of another seed than the log's. README's and the lesson's gate."""
    model = models.load("othello/trained", device="cpu")
    assert model.cfg.n_layers == make.Recipe().n_layers
    games = random_games(200, generator=torch.Generator().manual_seed(20_000))
    measured = make.evaluate(model, games, replay(games))
    assert measured["legal_mass"] > 0.95
    assert measured["legal_mass"] == pytest.approx(LOG["log"]["legal_mass"][-1], abs=0.01)
    untrained = make.evaluate(make.new_model(make.Recipe(), seed=1), games, replay(games))
    assert untrained["legal_mass"] < 0.25


def test_the_log_is_of_this_recipe():
    assert LOG["recipe"] == vars(make.Recipe())
    assert LOG["log"]["step"][-1] == make.Recipe().steps
