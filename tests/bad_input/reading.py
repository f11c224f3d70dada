"""Bad input to the reading part, and to the tasks of its lessons: Othello and beliefs."""

import functools

import torch
from transformer_lens.model_bridge import TransformerBridge

from data.beliefs import task as process
from data.othello import task as othello
from tests.bad_input import RAW
from utils.reading import beliefs, erasure, figures, probes, recordings, unsupervised, world
from utils.reading.linear import Affine

NAN = float("nan")


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# Probes: four rows of two groups.
X = torch.randn(4, 3, generator=seeded())
Y, GROUPS = torch.tensor([1, 0, 1, 0]), ["a", "a", "b", "b"]
SCORES = torch.tensor([0.9, 0.4, 0.6, 0.1])
PROBE = probes.Probe(torch.ones(3), torch.tensor(0.0))
FOLD, PAIRS = torch.tensor([0, 0, 1, 1]), probes.Pairs(X, Y, GROUPS)
GROUP = FOLD
RESID = torch.randn(2, 4, 3, generator=seeded())


def exchange(direction=(1.0, 0, 0), positions=(3, 1), partner=(1, 0)):
    return lambda: probes.exchange_along(
        RESID, torch.tensor(direction), torch.tensor(positions), torch.tensor(partner)
    )


def crossed(y=Y, groups=GROUPS, *, folds=2, fit=probes.mean_difference, x=X):
    return lambda: probes.cross_validated(x, y, groups, fit=fit, folds=folds)


def split(test, groups=GROUPS):
    return lambda: probes.split_by_group(groups, test=test, generator=seeded())


def sweep(y=Y, fold=FOLD, *, fit=probes.mean_difference, x=X[None]):
    return lambda: probes.layer_sweep(x, y, fold, fit=fit)


def halves(*, x=X, y=Y, fold=FOLD, kept=Y >= 0):
    return lambda: probes.kept_and_left_out(x, y, fold, kept, fit=probes.mean_difference)


def choose(scores=SCORES, y=Y, groups=GROUPS):
    return lambda: probes.chooses_right(scores, y, groups)


def controls(*, x=X, y=Y, group=GROUP, n=2):
    return lambda: probes.control_directions(
        x, y, group, fit=probes.mean_difference, n=n, generator=torch.Generator()
    )


def truth(*, x=X, labels=Y, negated=FOLD, topics=GROUPS):
    return lambda: probes.truth_directions(x, labels, negated, topics)


def mlp(*, x=X, y=Y, **settings):
    return lambda: probes.fit_mlp(x, y, generator=seeded(), **settings)


# Pairs without labels.
SECOND, TEXTS = X.flip(0), torch.ones(2, 3, dtype=torch.long)
ccs = functools.partial(unsupervised.ccs, start=torch.ones(3))

# Othello.
BOARD = torch.randint(-1, 2, (2, 3, 4), generator=seeded())
GAMES = othello.random_games(3, generator=seeded())
PLAYED = othello.replay(GAMES)
ONE, LEGAL = torch.tensor([0]), torch.tensor([[True, False, True]])
BOARD_PROBE = Affine(torch.randn(3, 6, generator=seeded()), torch.zeros(6))


@functools.cache
def player():
    return TransformerBridge.boot_native(
        {"n_layers": 1, "d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 8, "n_ctx": 6}
        | {"d_vocab": 7, "act_fn": "gelu", "normalization_type": "LN", "seed": 0}
    )


def after(time=(1, 2), *, name="blocks.0.hook_resid_post", change=lambda x: x, training=False):
    tokens = torch.zeros(2, 4, dtype=torch.long)
    return lambda: world.logits_after(
        player().train(training), tokens, torch.tensor(time), {name: change}
    )


def flip(direction=X, bias=SCORES, scale=1.0):
    return lambda: world.flip_along(X, direction, bias, scale)


def turned(square=19, *, game=0, time=0):
    one = [torch.tensor([each]) for each in (game, time, square)]
    return lambda: world.legal_after_flip(PLAYED, *one)


def with_move(move, at=(0, 0)):
    games = GAMES.clone()
    games[at] = move
    return games


def played_on(call):
    """A game that goes on after an end."""
    return lambda: call(with_move(othello.NO_MOVE, (0, 3)))


def legal(board, who=(1, 1)):
    return lambda: othello.legal_moves(board, torch.tensor(who))


START = othello.start().repeat(2, 1)

# Beliefs.
T = process.clock()
TOKENS = process.sample_tokens(T, 6, length=5, generator=seeded())
BELIEF = process.beliefs(TOKENS, T)[:, -1]
STUCK = torch.eye(3).double()[None]  # no state is ever left
SILENT = torch.stack([T.sum(0), torch.zeros(3, 3)])  # token 1 never comes


def observed(memories=(1,), *, n=4, length=4):
    return lambda: beliefs.excess_by_observer(
        T, {}, memories=memories, n=n, length=length, generator=seeded()
    )


ROWS = [
    # probes
    ("accuracy on labels 1 and 2", lambda: PROBE.accuracy(X, Y + 1), "labels are 0 and 1"),
    ("accuracy of a NaN probe", lambda: PROBE._replace(bias=NAN).accuracy(X, Y), "probe holds NaN"),
    ("accuracy on NaN", lambda: PROBE.accuracy(X * NAN, Y), "`x` holds NaN"),
    ("accuracy on no rows", lambda: PROBE.accuracy(X[:0], Y[:0]), "`y` is empty"),
    ("accuracy on too few labels", lambda: PROBE.accuracy(X, Y[:1]), "has 1 entries"),
    ("scores of another width", lambda: PROBE.scores(X[:, :2]), RAW),
    (
        "mean_difference of one class",
        lambda: probes.mean_difference(X, torch.ones(4, dtype=int)),
        "rows of both labels",
    ),
    ("mean_difference of labels 1 and 2", lambda: probes.mean_difference(X, Y + 1), "[1, 2]"),
    ("mean_difference of NaN", lambda: probes.mean_difference(X * NAN, Y), "`x` holds NaN"),
    ("mean_difference of whole numbers", lambda: probes.mean_difference(X.int(), Y), "`.float()`"),
    ("mean_difference of a row", lambda: probes.mean_difference(X[0], Y), "give 2 axes"),
    ("logistic of one class", lambda: probes.logistic(X, Y * 0), "rows of both labels"),
    ("logistic of three classes", lambda: probes.logistic(X, torch.arange(4) % 3), "[0, 1, 2]"),
    ("logistic of unequal lengths", lambda: probes.logistic(X, Y[:3]), "has 3 entries"),
    ("logistic with C of 0", lambda: probes.logistic(X, Y, C=0.0), "above 0"),
    ("exchange_along a direction of length 0", exchange((0.0, 0, 0)), "points nowhere"),
    ("exchange_along NaN", exchange((NAN, 0, 0)), "`direction` holds NaN"),
    ("exchange_along a plane", exchange([(1.0, 0, 0), (0, 1.0, 0)]), "give 1 axes"),
    ("exchange_along before the text", exchange(positions=(-1, 1)), "from 0 to 3"),
    ("exchange_along after the text", exchange(positions=(4, 1)), "from 0 to 3"),
    ("exchange_along with a partner too far", exchange(partner=(1, 2)), "from 0 to 1"),
    ("exchange_along with partner -1", exchange(partner=(1, -1)), "from 0 to 1"),
    ("exchange_along with one partner", exchange(partner=(0,)), "has 1 entries"),
    ("split_by_group with a share below 0", split(-0.3), "at least 0"),
    ("split_by_group with a count", split(2), "at most 1"),
    ("split_by_group that holds none out", split(0.1), "0 of 2 groups"),
    ("split_by_group that holds all out", split(0.9), "2 of 2 groups"),
    ("split_by_group of one name", split(0.5, "ab"), "give a list"),
    ("split_by_group of no groups", split(0.5, []), "`groups` is empty"),
    ("cross_validated in one fold", crossed(folds=1), "`folds` is 1"),
    ("cross_validated in more folds than groups", crossed(folds=3), "there are 2 groups"),
    ("cross_validated of one group", crossed(groups=["a"] * 4), "are all one"),
    ("cross_validated of labels 1 and 2", crossed(Y + 1), "labels are 0 and 1"),
    ("cross_validated of NaN", crossed(x=X * NAN), "`x` holds NaN"),
    ("cross_validated with too few groups", crossed(groups=["a", "b"]), "has 2 entries"),
    (
        "cross_validated with a class for a group",
        crossed(groups=["a", "b", "a", "b"]),
        "rows of both labels",
    ),
    ("layer_sweep of one layer alone", sweep(x=X), "give 3 axes"),
    ("layer_sweep of NaN", sweep(x=X[None] * NAN), "`x` holds NaN"),
    ("layer_sweep of labels 1 and 2", sweep(Y + 1), "labels are 0 and 1"),
    ("layer_sweep of a label a layer", sweep(Y[:1]), "`y` has 1 entries, and there are 4 rows"),
    ("layer_sweep of labels in a list", sweep(Y.tolist()), "`y` is of type list"),
    ("layer_sweep of one fold", sweep(fold=Y * 0), "are all one"),
    ("layer_sweep with too few folds", sweep(fold=Y[:3]), "`fold` has 3 entries"),
    ("layer_sweep of folds in a list", sweep(fold=GROUPS), "`fold` is of type list"),
    ("layer_sweep with a class a fold", sweep(fold=Y), "rows of both labels"),
    ("layer_sweep with a fit of directions", sweep(fit=lambda x, y: x[0]), RAW),
    ("folds_of one name", lambda: probes.folds_of("ab", folds=2), "give a list"),
    ("folds_of two groups in three", lambda: probes.folds_of(GROUPS, folds=3), "there are 2"),
    ("folds_of one fold", lambda: probes.folds_of(GROUPS, folds=1), "whole number from 2"),
    ("folds_of half folds", lambda: probes.folds_of(GROUPS, folds=2.5), "whole number from 2"),
    ("folds_of nothing", lambda: probes.folds_of([]), "`groups` is empty"),
    ("folds_of a tensor", lambda: probes.folds_of(Y), "give a list"),
    ("kept_and_left_out of one fold", halves(fold=Y * 0), "are all one"),
    ("kept_and_left_out of labels 1 and 2", halves(y=Y + 1), "labels are 0 and 1"),
    ("kept_and_left_out of NaN", halves(x=X * NAN), "`x` holds NaN"),
    ("kept_and_left_out with too few kept", halves(kept=Y[:2] == 1), "`kept` has 2 entries"),
    ("kept_and_left_out with one label kept", halves(kept=Y == 1), "rows of both labels"),
    ("kept_and_left_out of all layers", halves(x=X[None]), "give 2 axes"),
    ("chooses_right of NaN", choose(SCORES * NAN), "`scores` holds NaN"),
    ("chooses_right of labels 1 and 2", choose(y=Y + 1), "are 0 and 1"),
    ("chooses_right of too few groups", choose(groups=["a"]), "has 1 entries"),
    ("chooses_right of too few scores", choose(SCORES[:3]), "there are 3 scores"),
    ("chooses_right of scores [n, probe]", choose(X), "there are 3 scores"),
    ("chooses_right of nothing", choose(SCORES[:0], Y[:0], []), "`groups` is empty"),
    ("chooses_right of a tensor of groups", choose(groups=Y // 2), "give a list"),
    ("chooses_right of two of a label", choose(groups=["a", "b", "a", "b"]), "two rows of label"),
    ("chooses_right of one label", choose(SCORES[:3], Y[:3], GROUPS[:3]), "rows of one label"),
    ("margins of NaN", lambda: PAIRS.margins(X * NAN), "`scores` holds NaN"),
    ("margins of another width", lambda: PAIRS.margins(X[:, :2]), RAW),
    ("controls of one class", controls(y=Y * 0), "rows of both labels"),
    ("controls of NaN", controls(x=X * NAN), "`x` holds NaN"),
    ("controls of too few labels", controls(y=Y[:3]), "has 3 entries"),
    ("no controls", controls(n=0), "`n` is 0"),
    ("controls of groups from 1 on", controls(group=GROUP + 1), "number the groups 0, 1"),
    ("truth_directions of NaN", truth(x=X * NAN), "`x` holds NaN"),
    ("truth_directions of labels 1 and -1", truth(labels=2 * Y - 1), "labels are 0 and 1"),
    ("truth_directions of one polarity", truth(negated=Y * 0), "`negated` holds [0]"),
    ("truth_directions of p, 1 and -1", truth(negated=2 * Y - 1), "`negated` holds [-1, 1]"),
    ("truth_directions of one topic's name", truth(topics="abab"), "give a list"),
    ("truth_directions of too few topics", truth(topics=["a"]), "has 1 entries"),
    ("truth_directions of topics in a tensor", truth(topics=Y), "give a list"),
    ("fit_mlp of one class", mlp(y=Y * 0), "rows of both labels"),
    ("fit_mlp of NaN", mlp(x=X * NAN), "`x` holds NaN"),
    ("fit_mlp of whole numbers", mlp(x=X.long()), "`.float()`"),
    ("fit_mlp without ReLUs", mlp(hidden=0), "`hidden` is 0"),
    ("fit_mlp without steps", mlp(steps=0), "`steps` is 0"),
    ("a split of groups in a tensor", split(0.5, groups=torch.tensor([0, 0, 1, 1])), "give a list"),
    ("crossed with groups in a tensor", crossed(groups=torch.tensor([0, 0, 1, 1])), "give a list"),
    ("crossed with labels in a list", crossed(y=Y.tolist()), "`y` is of type list"),
    ("a probe of labels in a list", lambda: probes.mean_difference(X, Y.tolist()), "of type list"),
    ("accuracy on labels in a list", lambda: PROBE.accuracy(X, Y.tolist()), "`y` is of type list"),
    # unsupervised
    ("ccs of one pair", lambda: ccs(X[:1], X[1:2]), "two pairs at least"),
    ("ccs of unequal halves", lambda: ccs(X, X[:3]), "has shape (3, 3)"),
    ("ccs of NaN", lambda: ccs(X, X * NAN), "`second` holds NaN"),
    ("ccs without steps", lambda: ccs(X, SECOND, steps=0), "`steps` is 0"),
    ("ccs at a rate of 0", lambda: ccs(X, SECOND, lr=0.0), "`lr` is 0"),
    ("ccs from a wide start", lambda: ccs(X, SECOND, start=torch.ones(4)), "give (3,)"),
    ("one pair normalised", lambda: unsupervised.normalised(X[:1]), "two pairs at least"),
    ("labels 1 and 2 to fit", lambda: unsupervised.fit_labelling(X, SECOND, Y + 1), "0 and 1"),
    ("two labels to fit", lambda: unsupervised.fit_labelling(X, SECOND, Y[:2]), "has 2 entries"),
    ("whiten NaN", lambda: unsupervised.whiten(X, X * NAN, 2), "`second` holds NaN"),
    ("whiten to no axis", lambda: unsupervised.whiten(X, SECOND, 0), "`k` is 0"),
    ("whiten to more axes", lambda: unsupervised.whiten(X, SECOND, 9), "principal axes"),
    ("stretched along nothing", lambda: unsupervised.stretched(X, X, X[0] * 0, 2.0), "all zeros"),
    ("stretched by NaN", lambda: unsupervised.stretched(X, X, X[0], NAN), "`factor`"),
    ("stretched, too wide", lambda: unsupervised.stretched(X, X, SCORES, 2.0), "`direction`"),
    ("agreement with labels 1 and 2", lambda: unsupervised.agreement(SCORES, Y + 1), "0 and 1"),
    ("agreement with one label", lambda: unsupervised.agreement(SCORES, Y[:1]), "has 1 entries"),
    ("agreement of NaN", lambda: unsupervised.agreement(SCORES * NAN, Y), "`belief` holds NaN"),
    # erasure
    ("leace of one class", lambda: erasure.leace(X, Y * 0), "`y`"),
    ("leace of NaN", lambda: erasure.leace(X * NAN, Y), "`x` holds NaN"),
    ("leace shrunk by 2", lambda: erasure.leace(X, Y, shrink=2.0), "`shrink` is 2"),
    (
        "patched heads of a block that is not there",
        lambda: erasure.patch_heads(
            player().eval(), TEXTS, TEXTS, torch.tensor([2, 2]), torch.ones(8), layers=[9], read=1
        ),
        "`layers` holds 9",
    ),
    (
        "erasing before a block that is not there",
        lambda: erasure.erase_while_running(
            player().eval(),
            TEXTS,
            torch.tensor([2, 2]),
            torch.tensor([0, 1]),
            layers=[9],
            fit=erasure.leace,
            fit_rows=torch.tensor([True, True]),
        ),
        "`layers` holds 9",
    ),
    # Othello's rules
    ("square_name of 36", lambda: othello.square_name(36), "at most 35"),
    ("square_name of -1", lambda: othello.square_name(-1), "at least 0"),
    ("legal_moves for nobody", legal(START, (1, 0)), "other numbers than 1 and -1"),
    ("legal_moves on a board of threes", legal(START * 3), "other numbers than 1 (a disc)"),
    ("legal_moves for too few players", legal(START, (1,)), "has 1 entries"),
    ("legal_moves on one board alone", legal(START[0]), "give 2 axes"),
    (
        "play on no square",
        lambda: othello.play(START, torch.tensor([1, 1]), torch.tensor([8, 36])),
        "from 0 to 35",
    ),
    (
        "play of an illegal move",
        lambda: othello.play(START, torch.tensor([1, 1]), torch.tensor([8, 0])),
        "a1 is not a legal move in game 1",
    ),
    ("random_games of none", lambda: othello.random_games(0, generator=seeded()), "is 0"),
    ("replay of one game alone", lambda: othello.replay(GAMES[0]), "[game, move]"),
    ("replay of square 36", lambda: othello.replay(with_move(36)), "from 0 to 35"),
    ("replay of what is played on", played_on(othello.replay), "after a game's end"),
    ("to_tokens of what is played on", played_on(othello.to_tokens), "after a game's end"),
    ("to_tokens of -2", lambda: othello.to_tokens(with_move(-2)), "from 0 to 35"),
    ("legal_mass of NaN", lambda: othello.legal_mass(X * NAN, X > 0), "`logits` holds NaN"),
    ("legal_mass of chances", lambda: othello.legal_mass(X, X), "give True and False"),
    ("legal_mass of one row of moves", lambda: othello.legal_mass(X, LEGAL), "has shape (1, 3)"),
    # world models
    ("relative_board of one game alone", lambda: world.relative_board(BOARD[0]), "give 3 axes"),
    ("relative_board of states 0 to 2", lambda: world.relative_board(BOARD + 1), "other numbers"),
    ("placed_by of what is played on", played_on(world.placed_by), "after a game's end"),
    ("placed_by of square 40", lambda: world.placed_by(with_move(40)), "from 0 to 35"),
    ("one_hot_states of states 0 to 2", lambda: world.one_hot_states(BOARD[0] + 1), "other numbe"),
    ("one_hot_states of halves", lambda: world.one_hot_states(BOARD[0] / 2), "other numbers"),
    ("board_states of NaN", lambda: world.board_states(X * NAN), "`predicted` holds NaN"),
    ("board_states of two a square", lambda: world.board_states(X[:, :2]), "three a square"),
    ("history of token 37", lambda: world.history(GAMES + 37, relative=True), "0 to 36"),
    ("history of one game", lambda: world.history(GAMES[0], relative=True), "give 2 axes"),
    ("flip_direction of square 2", lambda: world.flip_direction(BOARD_PROBE, ONE + 2), "0 to 1"),
    ("flip_direction of square -1", lambda: world.flip_direction(BOARD_PROBE, ONE - 1), "0 to 1"),
    (
        "flip_direction of another probe",
        lambda: world.flip_direction(Affine(X, torch.zeros(4)), ONE),
        "three columns a square",
    ),
    ("flip_along a direction of length 0", flip(X * 0), "points nowhere"),
    ("flip_along one direction for all", flip(X[0]), "has shape (3,)"),
    ("flip_along one bias for all", flip(bias=SCORES[:1]), "has 1 entries"),
    ("flip_along to NaN", flip(scale=NAN), "`scale` is nan"),
    ("flipper of square 2", lambda: world.flipper(BOARD_PROBE, ONE + 2, scale=1.0), "0 to 1"),
    (
        "legal_move_errors of NaN",
        lambda: world.legal_move_errors(X[:1] * NAN, LEGAL),
        "`logits` holds NaN",
    ),
    (
        "legal_move_errors of one board for all",
        lambda: world.legal_move_errors(X, LEGAL),
        "has shape (1, 3)",
    ),
    (
        "legal_move_errors of numbers",
        lambda: world.legal_move_errors(X[:1], LEGAL.int()),
        "give True and False",
    ),
    ("legal_after_flip of an empty square", turned(0), "no disc to turn over"),
    ("legal_after_flip of square -1", turned(-1), "square runs from 0 to 35"),
    ("legal_after_flip in game 3", turned(14, game=3), "game runs from 0 to 2"),
    ("legal_after_flip at time -1", turned(14, time=-1), "time runs from 0 to 32"),
    ("draw_edits of none", lambda: world.draw_edits(PLAYED, n=0, generator=seeded()), "`n` is 0"),
    (
        "draw_edits of openings",
        lambda: world.draw_edits(othello.replay(GAMES[:, :9]), n=2, generator=seeded()),
        "replay whole games",
    ),
    (
        "draw_swaps of none",
        lambda: world.draw_swaps(GAMES, PLAYED, n=0, generator=seeded()),
        "`n` is 0",
    ),
    (
        "draw_swaps of what is played on",
        played_on(lambda games: world.draw_swaps(games, PLAYED, n=9, generator=seeded())),
        "after a game's end",
    ),
    (
        "streams of a model in training",
        lambda: world.streams(player().train(True), torch.zeros(2, 4, dtype=torch.long)),
        "training mode",
    ),
    ("logits_after at time 4 of 4", after((1, 4)), "from 0 to 3"),
    ("logits_after at time -1", after((1, -1)), "from 0 to 3"),
    ("logits_after at one time for all", after((1,)), "has 1 entries"),
    ("logits_after an unknown hook", after(name="blocks.7.hook_resid_post"), "no hook 'blocks.7"),
    ("logits_after a change of shape", after(change=lambda x: x[:1]), "returned shape (1, 8)"),
    ("logits_after in training", after(training=True), "`.eval()`"),
    # processes
    ("mess3 with a probability of 1.2", lambda: process.mess3(alpha=1.2), "between 0 and 1"),
    ("mess3 with NaN", lambda: process.mess3(x=NAN), "between 0 and 0.5"),
    ("clock that moves back", lambda: process.clock(move=-0.1), "are probabilities"),
    ("stationary of no process", lambda: process.stationary(T * 2), "sum to 1"),
    ("stationary of one token's table", lambda: process.stationary(T[0]), "next state]"),
    ("stationary of states never left", lambda: process.stationary(STUCK), "more than one"),
    ("beliefs of one sequence alone", lambda: process.beliefs(TOKENS[0], T), "give 2 axes"),
    ("beliefs in what never comes", lambda: process.beliefs(TOKENS, SILENT), "impossible in row"),
    ("beliefs of token 2 of 2", lambda: process.beliefs(TOKENS + 1, T), "from 0 to 1"),
    ("remembered of 0 tokens", lambda: process.remembered(TOKENS, 0, T), "1 to 5 last tokens"),
    ("remembered of 6 of 5 tokens", lambda: process.remembered(TOKENS, 6, T), "`k` is 6"),
    ("next_token_probs of NaN", lambda: process.next_token_probs(BELIEF * NAN, T), "no belief"),
    (
        "sample_tokens of length 0",
        lambda: process.sample_tokens(T, 3, length=0, generator=seeded()),
        "`length` is 0",
    ),
    (
        "sample_tokens from too few beliefs",
        lambda: process.sample_tokens(T, 3, length=2, generator=seeded(), start=BELIEF),
        "has 6 rows",
    ),
    # what a model holds of beliefs
    ("simplex_xy of two states", lambda: beliefs.simplex_xy(BELIEF[:, :2]), "over 2 states"),
    ("simplex_xy of whole numbers", lambda: beliefs.simplex_xy(torch.eye(3).long()), ".float()"),
    (
        "r_squared_within bins of one",
        lambda: beliefs.r_squared_within(X, X, torch.arange(4.0), n_bins=4),
        "give each bin two or more",
    ),
    (
        "r_squared_within too few predictions",
        lambda: beliefs.r_squared_within(X, X, torch.zeros(3), n_bins=2),
        "has 3 entries",
    ),
    (
        "hold_out of one context",
        lambda: beliefs.hold_out(torch.zeros(4, 2).long(), generator=seeded()),
        "are all the same",
    ),
    (
        "read_out of all rows",
        lambda: beliefs.read_out(X, X, torch.ones(4).bool()),
        "all rows on one side",
    ),
    (
        "read_out by numbers",
        lambda: beliefs.read_out(X, X, torch.ones(4).long()),
        "should be boolean",
    ),
    (
        "equal_predictions to the last token",
        lambda: beliefs.equal_predictions(T, n=4, length=4, generator=seeded()),
        "more than n, 4",
    ),
    (
        "plane_part beyond the last position",
        lambda: beliefs.plane_part(torch.zeros(2, 3, 4), {3: torch.eye(4)}),
        "positions run from 0 to 2",
    ),
    (
        "plane_part of rows",
        lambda: beliefs.plane_part(torch.zeros(2, 3, 4), {1: torch.zeros(2, 4)}),
        "give columns of 4 numbers",
    ),
    (
        "plane_directions of one column",
        lambda: beliefs.plane_directions(torch.zeros(4, 1), T),
        "has 1 columns, and should have 2",
    ),
    (
        "at_positions beyond the last",
        lambda: beliefs.at_positions(torch.zeros(2, 3, 4), [3]),
        "holds 3, and positions run from 0 to 2",
    ),
    ("plane_part in no plane", lambda: beliefs.plane_part(torch.zeros(2, 3, 4), {}), "is empty"),
    (
        "random_part of NaN",
        lambda: beliefs.random_part(
            torch.full((2, 3, 4), NAN), {1: torch.eye(4)}, generator=seeded()
        ),
        "holds NaN",
    ),
    ("follows of NaN", lambda: beliefs.follows(X * NAN, X), "`change` holds NaN"),
    (
        "attention_by_distance of one text",
        lambda: beliefs.attention_by_distance(torch.zeros(2, 3, 3)),
        "give 4 axes",
    ),
    (
        "a recording that is not there",
        lambda: recordings.Recordings({"a": X}, TOKENS[:4], T, budget=1).read("b", 0),
        "no recording 'b'",
    ),
    (
        "a token that is not there",
        lambda: recordings.Recordings({"a": X}, TOKENS[:4], T, budget=1).read("a", 5),
        "from 0 to 4",
    ),
    ("token_pairs of 6 of 5", lambda: beliefs.token_pairs(TOKENS, 6, n_tokens=2), "`k` is 6"),
    (
        "excess_loss of one prediction for all",
        lambda: beliefs.excess_loss(torch.zeros(1, 2), BELIEF, T),
        "these beliefs want (6, 2)",
    ),
    (
        "excess_loss of an impossible token",
        lambda: beliefs.excess_loss(torch.zeros(6, 2).log(), BELIEF, T),
        "`logits` holds NaN or infinity",
    ),
    ("excess_by_observer who recalls 0", observed((0,)), "`memories` holds 0"),
    ("excess_by_observer who recalls 9 of 4", observed((9,)), "`memories` holds 9"),
    ("excess_by_observer of no sequences", observed(n=0), "`n` is 0"),
    # figures
    ("boards of 5 squares", lambda: figures.boards({"a": [0] * 5}, title=""), "square number"),
    (
        "boards with another's shade",
        lambda: figures.boards({"a": [0] * 4}, title="", shade={"b": [0.0] * 4}),
        "no board 'b'",
    ),
    (
        "boards with another's new moves",
        lambda: figures.boards({"a": [0] * 4}, title="", new={"b": [0]}),
        "no board 'b'",
    ),
    (
        "simplex in too few colours",
        lambda: figures.simplex({"a": torch.zeros(3, 2)}, torch.zeros(2, 3), title=""),
        "3 points in 'a', and 2 colours",
    ),
    (
        "clouds in three dimensions",
        lambda: figures.clouds({"a": X}, title="", x="", y=""),
        "no two coordinates a row in 'a'",
    ),
    ("clouds of nothing", lambda: figures.clouds({}, title="", x="", y=""), "is empty"),
    ("simplex of nothing", lambda: figures.simplex({}, torch.zeros(2, 3), title=""), "is empty"),
]
