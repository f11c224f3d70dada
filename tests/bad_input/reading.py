"""Bad input to the reading part, and to the tasks of its lessons: Othello and beliefs."""

import functools

import torch
from transformer_lens.model_bridge import TransformerBridge

from data.beliefs import task as process
from data.othello import task as othello
from tests.bad_input import RAW
from utils.reading import beliefs, figures, probes, unsupervised, world
from utils.reading.linear import Affine

NAN = float("nan")


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# Probes: four rows of two groups.
X = torch.randn(4, 3, generator=seeded())
Y, GROUPS = torch.tensor([1, 0, 1, 0]), ["a", "a", "b", "b"]
SCORES = torch.tensor([0.9, 0.4, 0.6, 0.1])
PROBE = probes.Probe(torch.ones(3), torch.tensor(0.0))
RESID = torch.randn(2, 4, 3, generator=seeded())


def exchange(direction=(1.0, 0, 0), positions=(3, 1), partner=(1, 0)):
    return lambda: probes.exchange_along(
        RESID, torch.tensor(direction), torch.tensor(positions), torch.tensor(partner)
    )


def crossed(y=Y, groups=GROUPS, *, folds=2, fit=probes.mean_difference, x=X):
    return lambda: probes.cross_validated(x, y, groups, fit=fit, folds=folds)


def split(test, groups=GROUPS):
    return lambda: probes.split_by_group(groups, test=test, generator=seeded())


# Pairs without labels.
P, FIRST, SECOND = torch.tensor([0.1, 0.8]), X, X.flip(0)
FOUND = unsupervised.Unsupervised(SCORES - 0.5, None)

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
HALVES = [TOKENS[:3], TOKENS[3:]]


def updated(belief=BELIEF, token=(0, 1, 0, 1, 0, 1), T=T):
    return lambda: process.belief_update(belief, torch.tensor(token), T)


def read(features, **settings):
    return lambda: beliefs.read_beliefs(features, HALVES, T, **settings)


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
    (
        "cross_validated of a probe that holds NaN",
        crossed(fit=lambda x, y: (x[0] * NAN, 0.0)),
        "The probe holds NaN",
    ),
    ("choices of NaN", lambda: probes.choices(SCORES * NAN, Y, GROUPS), "`scores` holds NaN"),
    ("choices of labels 1 and 2", lambda: probes.choices(SCORES, Y + 1, GROUPS), "are 0 and 1"),
    ("choices of too few groups", lambda: probes.choices(SCORES, Y, ["a"]), "has 1 entries"),
    ("choices of nothing", lambda: probes.choices(SCORES[:0], Y[:0], []), "`groups` is empty"),
    (
        "choices of a group with two rows of a label",
        lambda: probes.choices(SCORES, torch.tensor([1, 1, 0, 0]), GROUPS),
        "two rows of label",
    ),
    (
        "choices of a group with one label",
        lambda: probes.choices(SCORES[:3], Y[:3], GROUPS[:3]),
        "rows of one label",
    ),
    (
        "control_labels of one word",
        lambda: probes.control_labels("word", generator=seeded()),
        "give a list",
    ),
    (
        "control_labels of nothing",
        lambda: probes.control_labels([], generator=seeded()),
        "`types` is empty",
    ),
    (
        "auc_interval of groups with both labels",
        lambda: probes.auc_interval(SCORES, Y, GROUPS),
        "rows of both labels in 'a'",
    ),
    (
        "auc_interval of one label",
        lambda: probes.auc_interval(SCORES, Y * 0, GROUPS),
        "give rows of both",
    ),
    (
        "auc_interval of NaN",
        lambda: probes.auc_interval(SCORES * NAN, Y, range(4)),
        "`scores` holds NaN",
    ),
    (
        "auc_interval of groups in a tensor",
        lambda: probes.auc_interval(SCORES, Y, torch.tensor([0, 1, 0, 1])),
        "give a list",
    ),
    ("choices of a tensor of groups", lambda: probes.choices(SCORES, Y, Y // 2), "give a list"),
    (
        "control_labels of words' numbers in a tensor",
        lambda: probes.control_labels(torch.tensor([3, 3, 4]), generator=seeded()),
        "give a list",
    ),
    (
        "control_labels of a list of tensors",
        lambda: probes.control_labels(list(torch.tensor([3, 3, 4])), generator=seeded()),
        "`types` holds tensors",
    ),
    ("a split of groups in a tensor", split(0.5, groups=torch.tensor([0, 0, 1, 1])), "give a list"),
    ("crossed with groups in a tensor", crossed(groups=torch.tensor([0, 0, 1, 1])), "give a list"),
    ("crossed with labels in a list", crossed(y=Y.tolist()), "`y` is of type list"),
    ("a probe of labels in a list", lambda: probes.mean_difference(X, Y.tolist()), "of type list"),
    ("accuracy on labels in a list", lambda: PROBE.accuracy(X, Y.tolist()), "`y` is of type list"),
    (
        "auc_interval without draws",
        lambda: probes.auc_interval(SCORES, Y, range(4), n=0),
        "`n` is 0",
    ),
    # unsupervised
    ("ccs_loss of logits", lambda: unsupervised.ccs_loss(P * 9, P), "probabilities"),
    ("ccs_loss of NaN", lambda: unsupervised.ccs_loss(P, P * NAN), "probabilities"),
    ("ccs_loss of unequal pairs", lambda: unsupervised.ccs_loss(P, P[:1]), "has shape (1,)"),
    ("ccs_loss of no pairs", lambda: unsupervised.ccs_loss(P[:0], P[:0]), "is empty"),
    ("ccs of one pair", lambda: unsupervised.ccs(X[:1], X[1:2]), "two pairs at least"),
    ("ccs of unequal halves", lambda: unsupervised.ccs(X, X[:3]), "has shape (3, 3)"),
    ("ccs of NaN", lambda: unsupervised.ccs(X, X * NAN), "`second` holds NaN"),
    ("ccs without tries", lambda: unsupervised.ccs(X, SECOND, tries=0), "`tries` is 0"),
    ("ccs without steps", lambda: unsupervised.ccs(X, SECOND, steps=0), "`steps` is 0"),
    ("agreement with labels 1 and 2", lambda: FOUND.agreement(Y + 1), "labels are 0 and 1"),
    ("agreement with one label for all", lambda: FOUND.agreement(Y[:1]), "has 1 entries"),
    (
        "agreement of a belief of NaN",
        lambda: FOUND._replace(first=SCORES * NAN).agreement(Y),
        "`first` holds NaN",
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
    ("belief_update of sums", updated(BELIEF * 2), "each row sums to 1"),
    ("belief_update over two states", updated(BELIEF[:, :2]), "the process 3 states"),
    ("belief_update with token 2 of 2", updated(token=(0, 1, 0, 1, 0, 2)), "from 0 to 1"),
    ("belief_update with token -1", updated(token=(0, 1, 0, 1, 0, -1)), "from 0 to 1"),
    ("belief_update with one token for all", updated(token=(0,)), "has 1 entries"),
    ("belief_update with what never comes", updated(T=SILENT), "impossible in row 1"),
    ("beliefs of one sequence alone", lambda: process.beliefs(TOKENS[0], T), "give 2 axes"),
    ("beliefs of token 2 of 2", lambda: process.beliefs(TOKENS + 1, T), "from 0 to 1"),
    ("remembered of 0 tokens", lambda: process.remembered(TOKENS, 0, T), "1 to 5 last tokens"),
    ("remembered of 6 of 5 tokens", lambda: process.remembered(TOKENS, 6, T), "`k` is 6"),
    ("next_token_probs of NaN", lambda: process.next_token_probs(BELIEF * NAN, T), "no belief"),
    (
        "sample_tokens of length 0",
        lambda: process.sample_tokens(T, 3, length=0, generator=seeded()),
        "`length` is 0",
    ),
    # what a model holds of beliefs
    ("simplex_xy of two states", lambda: beliefs.simplex_xy(BELIEF[:, :2]), "over 2 states"),
    ("simplex_xy of whole numbers", lambda: beliefs.simplex_xy(torch.eye(3).long()), ".float()"),
    (
        "r_squared_within groups of one",
        lambda: beliefs.r_squared_within(X, X, torch.arange(4)),
        "inside such groups nothing varies",
    ),
    (
        "r_squared_within too few groups",
        lambda: beliefs.r_squared_within(X, X, torch.zeros(3)),
        "has 3 entries",
    ),
    ("last_tokens of 0", lambda: beliefs.last_tokens(TOKENS, 0, n_tokens=2), "`k` is 0"),
    ("last_tokens of 6 of 5", lambda: beliefs.last_tokens(TOKENS, 6, n_tokens=2), "`k` is 6"),
    ("last_tokens of too few kinds", lambda: beliefs.last_tokens(TOKENS, 2, n_tokens=1), "0 to 0"),
    (
        "join_last_tokens of 50 kinds",
        lambda: beliefs.join_last_tokens(torch.zeros(6, 1), TOKENS, 5, n_tokens=50),
        "too many",
    ),
    (
        "join_last_tokens of too few features",
        lambda: beliefs.join_last_tokens(X, TOKENS, 2, n_tokens=2),
        "has 4 entries",
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
    ("read_beliefs of no features", read({}), "`features` is empty"),
    ("read_beliefs of one half", read({"a": [X[:3]]}), "give two parts"),
    ("read_beliefs of a half too long", read({"a": [X[:3], X]}), "[3, 4] rows in 'a'"),
    ("read_beliefs knowing 9", read({"a": [X[:3], X[:3]]}, known=9), "`k` is 9"),
    ("slope_beyond a full memory", lambda: beliefs.slope_beyond(X, X, X), "take a shorter one"),
    ("slope_beyond NaN", lambda: beliefs.slope_beyond(X * NAN, X, X), "`predicted` holds NaN"),
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
    ("simplex of nothing", lambda: figures.simplex({}, torch.zeros(2, 3), title=""), "is empty"),
]
