# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · World models: probing where the world is known
#
# [![Open lesson 06 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/06_world_models.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. probe a model for the state of a world that you know exactly, and say which part of the reading is worth
#    nothing;
# 2. change what a model believes about that world, and measure whether it plays along;
# 3. tell a model that tracks a hidden state from one that only predicts its next token well.
#
# **Time** two hours. **Needs** lessons 00 and 05: the residual stream, hooks, linear probes and their controls.
# **Runs** in about two minutes on a laptop's processor.

# %% tags=["setup"]
import pathlib, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "https://github.com/heads-to-features/heads-to-features"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root = next(found, here / "heads-to-features")
if not root.exists():
    subprocess.run(["git", "clone", "--quiet", "--depth=1", url, str(root)], check=True)
sys.path[:0] = [] if str(root) in sys.path else [str(root)]
__import__("utils.lesson").lesson.begin()

# %%
import json

import torch

from data.othello import make as othello_recipe
from utils import othello, plots, progress, world
from utils.checks import claim, lesson_06
from utils.models import load

model = load("othello/trained")
untrained = othello_recipe.new_model(othello_recipe.Recipe(), seed=1000).eval()
untrained.to(model.cfg.device, print_details=False)
cfg, device = model.cfg, model.cfg.device

# %% [markdown]
# ## Part A. A board that nobody mentioned
#
# ### 1. The game
#
# Othello is played with discs that are black on one side and white on the other. You put a disc of your colour on
# an empty square so that it closes in a row of the other's discs between itself and another disc of yours. That
# row turns over, in any of the eight directions. A move that turns nothing over is not allowed. Black begins. Our
# board has 6 by 6 squares, and a game ends when the player to move has no legal move.
#
# The model has never seen a board. It reads *moves*, one token each: `c4`, `e3`, and so on, the 36 names of
# squares. It was trained to predict the next move of random games. (To save time, each position was scored on
# *all* the moves that random play might have made there, and not on the one that it did make. So it was told
# which moves are legal, and never why.) Nobody told it that there are colours, rows, or a board at all.
#
# To know which moves are legal, *you* would keep a board in your head. Does the model?
#
# Here is one game. Drag the slider through it. Diamonds are the legal moves, the orange dot is the last move, and
# the shade is the probability that the model gives to each square.

# %%
one_game = othello.random_games(1, generator=torch.Generator().manual_seed(4000))
one = othello.replay(one_game)
with torch.no_grad():
    one_probs = model(othello.to_tokens(one_game).to(device))[0].softmax(-1).cpu()


def draw_game(times: list[int], title: str):
    """The boards of this game after so many moves, side by side, with the model's prediction."""
    names = {f"after {t} moves, {'white' if t % 2 else 'black'} to move": t for t in times}
    return plots.boards(
        {name: one.board[0, t] for name, t in names.items()},
        shade={name: one_probs[t].tolist() for name, t in names.items()},
        marked={name: one.legal[0, t].nonzero()[:, 0].tolist() for name, t in names.items()},
        last={name: int(one_game[0, t - 1]) for name, t in names.items() if t},
        title=title,
    )


plots.slider(
    lambda t: draw_game([t], "Shade: the model's guess. Diamonds: legal"),
    n=31,
    label="moves",
    at=12,
)

# %%
draw_game([6, 15, 24], "The model shades the legal moves, and hardly any other square")

# %% [markdown]
# ### 2. The gate: does it know the rules?
#
# Before you look for a board *inside* the model, make sure that it plays as if it had one. The question is how
# much of its probability falls on legal moves.
#
# ### Exercise 1 · the mass on legal moves (5 minutes, easy)


# %%
def legal_mass(logits: torch.Tensor, legal: torch.Tensor) -> torch.Tensor:
    """The share of the probability that falls on legal moves, [game, time].

    Args:
        logits: [game, time, square].
        legal: boolean, [game, time, square].
    """
    ### BEGIN SOLUTION
    return (logits.softmax(-1) * legal).sum(-1)
    ### END SOLUTION


# %% tags=["check"]
lesson_06.check_legal_mass(legal_mass)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First probabilities, over the last axis. Then add up those that count.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `True` is 1 and `False` is 0 in a product: `probabilities * legal`.
#
# </details>

# %% [markdown]
# Three sets of fresh games, none of them used in training the model: one to **fit** probes on, one to **choose**
# on (which layer, how strong an edit), and one to **test**.
#
# *Predict first:* what would a model score that only knows which squares are empty? And how long would it help to
# know all games of the training by heart? (`data/othello/log.json` counts it: the share of new games that begin
# with the same moves as some training game.)

# %%
from utils.othello import legal_mass

N_FIT, N_CHOOSE, N_TEST = 600, 100, 200
games = othello.random_games(
    N_FIT + N_CHOOSE + N_TEST, generator=torch.Generator().manual_seed(4001)
)
played = othello.replay(games)  # boards, legal moves and who is to move, before each move
tokens = othello.to_tokens(games).to(device)  # BOS, then the moves
n_time = tokens.shape[1]
number = torch.arange(len(games))[:, None].expand(-1, n_time)  # which game a position is from
going = played.going[:, :n_time] & (torch.arange(n_time) > 0)  # after at least one move
fit, test = going & (number < N_FIT), going & (number >= N_FIT + N_CHOOSE)
choose = going & ~fit & ~test


def residuals(model) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and what stands in the residual stream after the embedding and after each layer."""
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens, names_filter=lambda n: "hook_resid" in n)
    places = {"embedding": cache["blocks.0.hook_resid_pre"].cpu()}
    for layer in range(model.cfg.n_layers):
        places[f"layer {layer}"] = cache[f"blocks.{layer}.hook_resid_post"].cpu()
    return logits.cpu(), places


logits, seen = residuals(model)
untrained_logits, untrained_seen = residuals(untrained)

legal, empty = played.legal[:, :n_time], played.board[:, :n_time] == 0
log = json.loads((root / "data" / "othello" / "log.json").read_text())
mass = {
    "trained": legal_mass(logits, legal),
    "untrained": legal_mass(untrained_logits, legal),
    "knows the empty squares": legal.sum(-1) / empty.sum(-1),
}
by_time = {
    name: [values[test[:, t], t].mean().item() for t in range(1, n_time)]
    for name, values in mass.items()
}
by_time["share of openings seen in training"] = log["seen_before"][: n_time - 1]
plots.lines(
    by_time,
    at=range(1, n_time),
    title="The model knows the rules long after it has left the openings it has seen",
    x="moves made so far",
    y="probability, or share",
)

# %%
from utils.probes import bootstrap


def with_interval(values: torch.Tensor, where: torch.Tensor) -> tuple[float, float, float]:
    """Mean over `where`, and its 95% interval over games."""
    low, high = bootstrap(values[where], groups=number[where].tolist())
    return values[where].double().mean().item(), low, high


gate = with_interval(mass["trained"], test)
print("legal mass {:.3f}, from {:.3f} to {:.3f}".format(*gate))
worst = min(range(len(by_time["trained"])), key=by_time["trained"].__getitem__)
print(f"lowest after {1 + worst} moves: {by_time['trained'][worst]:.3f}")

# %% [markdown]
# On games that it has never seen, **0.960** of the probability falls on legal moves (**0.957** to **0.963**, the
# 95% interval over games: games are drawn anew with replacement, as in lesson 05). At its worst, move by move, it
# is **0.91**. An untrained model has **0.15**, and whoever knows only which squares are empty **0.43**.
#
# Memory is no explanation. Of openings of eight moves, a share of **0.80** stood in the training games; of
# openings of twelve moves, next to none. The model goes on as before.

# %% tags=["numbers"]
claim("legal mass", gate[0], text=0.960, within=0.004)
claim("legal mass, low", gate[1], text=0.957, within=0.004)
claim("legal mass, high", gate[2], text=0.963, within=0.004)
claim("legal mass, worst move", min(by_time["trained"]), text=0.91, within=0.02)
claim("legal mass, untrained", mass["untrained"][test].mean(), text=0.15, within=0.03)
claim(
    "legal mass, empty squares",
    mass["knows the empty squares"][test].mean(),
    text=0.43,
    within=0.02,
)
openings = by_time["share of openings seen in training"]
claim("openings of 8 moves seen in training", openings[7], text=0.80, within=0.005)
assert openings[11] < 0.005 and min(by_time["trained"][12:]) > 0.88
assert gate[1] > 0.95, "the gate: without it there is nothing to probe"

# %% [markdown]
# ### 3. Mine and yours
#
# Now look inside. Li and colleagues (2022) trained probes for *black, white, empty* on a model of this kind for
# the 8 by 8 board. Linear probes failed, and two-layer ones worked: so, they thought, the board is there, but not
# linearly. Nanda and colleagues (2023) asked for something else: *mine, yours, empty*. Then linear probes were
# enough.
#
# Why should that matter? Black and white alternate: what is mine at this move is yours at the next. The rules are
# the same for both players, so a model that thinks in *mine* and *yours* has to learn them once.
#
# A board here is a row of 36 numbers, 1 for black, -1 for white, 0 for empty. Index `t` of time is the board
# after `t` moves, and that is what the model has read at its position `t`: position 0 is BOS.
#
# ### Exercise 2 · the relative board (10 minutes, easy)


# %%
def relative_board(board: torch.Tensor) -> torch.Tensor:
    """The boards as the player to move sees them, [game, time, square]: 1 mine, -1 yours, 0 empty.

    Args:
        board: [game, time, square], 1 black, -1 white, 0 empty; time 0 is the opening position.
    """
    ### BEGIN SOLUTION
    black_to_move = torch.arange(board.shape[1], device=board.device) % 2 == 0
    return torch.where(black_to_move[:, None], board, -board)
    ### END SOLUTION


# %% tags=["check"]
lesson_06.check_relative_board(relative_board)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Who is *to move* at time 0, before any move? And at time 1?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Where white is to move, multiply by -1. A vector of signs over time needs one more axis, `[:, None]`, to line up
# with [time, square].
#
# </details>

# %% [markdown]
# ### Exercise 3 · a probe in closed form (20 minutes, medium)
#
# In lesson 05 a probe was trained step by step. For least squares there is a formula. With a column of ones
# joined to the inputs `X`, so that the last weight is the bias, the best weights solve
#
# `(X.T @ X + R) W = X.T @ Y`.
#
# `R` is a diagonal matrix: `ridge` for every feature, which keeps the weights small where the data do not decide,
# and 0 for the bias, which should stay free.
#
# You will use this function for both parts of this lesson.


# %%
def affine_fit(inputs: torch.Tensor, targets: torch.Tensor, *, ridge: float) -> torch.Tensor:
    """Weights of the best affine map, [feature + 1, target]; the last row is the bias.

    Minimises the sum of squared errors, plus `ridge` times the sum of squared weights (not biases).

    Args:
        inputs: [example, feature], in double precision.
        targets: [example, target], in double precision.
    """
    ### BEGIN SOLUTION
    ones = torch.ones(len(inputs), 1, dtype=inputs.dtype, device=inputs.device)
    X = torch.cat([inputs, ones], dim=1)
    penalty = torch.full_like(X[0], ridge)
    penalty[-1] = 0
    return torch.linalg.solve(X.T @ X + penalty.diag(), X.T @ targets)
    ### END SOLUTION


# %% tags=["check"]
lesson_06.check_affine_fit(affine_fit)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.cat([inputs, ones], dim=1)` is X. Everything else is the formula.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.linalg.solve(A, B)` gives the W with `A @ W = B`. For the diagonal: a vector full of `ridge`, its last
# entry set to 0, then `.diag()`.
#
# </details>

# %% [markdown]
# A board is no number, so what should `Y` be? For each square three columns: is it state -1, 0 or 1? That is 108
# targets, all solved at once, and the state with the highest prediction is the probe's answer
# (`world.one_hot_states` and `world.board_states` do the packing).
#
# Now think about controls *before* you look. A probe for the board could be right without any board in the model:
#
# - **most common state**: after so many moves, what does this square mostly hold?
# - **untrained model**: its residual stream also holds the moves, in some scrambled form;
# - **the moves themselves**: no model at all. The probe reads the list of moves, one-hot for each move number.
#   This is the hardest of the controls: whatever it gets right needs no computation by the model. For
#   *mine/yours* it counts moves back from now, for *black/white* from the opening, so that who played is plain to
#   see in both;
# - **wrong boards**: the probe is fitted to boards of *another* game at the same move number. It can learn no
#   more than the most common state.
#
# And think about which *squares* to score. Many discs still have the colour that was played there. For those it
# is enough to know **who played there**, and for empty squares, that nobody did. The telling squares are the
# **flipped** ones, which now have the other colour. Whoever reads only who played there is wrong on every one of
# them.

# %%
from utils.world import affine_fit, affine_predict, relative_board

board = played.board[:, :n_time]
truth = {"mine/yours": relative_board(played.board)[:, :n_time], "black/white": board}
occupied = board != 0
flipped = occupied & (board != world.placed_by(games)[:, :n_time])


def board_probe(features: torch.Tensor, boards: torch.Tensor) -> torch.Tensor:
    """A probe for boards [game, time, square], fitted on the games to fit."""
    return affine_fit(features[fit], world.one_hot_states(boards[fit]), ridge=1e-3)


def read_board(probe: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """What a probe says of every position, [game, time, square]."""
    return world.board_states(affine_predict(features.flatten(0, 1), probe)).view_as(board)


readers = {"trained": seen, "untrained": untrained_seen}
probes, right = {}, {}  # by basis, model and place
for basis, boards in truth.items():
    for name, places in readers.items():
        for place, features in places.items():
            probes[basis, name, place] = board_probe(features, boards)
            right[basis, name, place] = read_board(probes[basis, name, place], features) == boards


def share(hits: torch.Tensor, where: torch.Tensor, squares: torch.Tensor | None = None) -> float:
    """Share of the squares at the positions `where` (and among `squares`) that were read right."""
    squares = torch.ones_like(hits) if squares is None else squares
    return hits[squares & where[..., None]].double().mean().item()


curves = {
    f"{name}, {basis}": [share(right[basis, name, place], test, flipped) for place in seen]
    for basis, name in [
        ("mine/yours", "trained"),
        ("black/white", "trained"),
        ("mine/yours", "untrained"),
    ]
}
moves = world.history(tokens.cpu(), relative=True)  # a move for each number of steps ago
from_moves = read_board(board_probe(moves, truth["mine/yours"]), moves) == truth["mine/yours"]
curves["the moves themselves, mine/yours"] = [share(from_moves, test, flipped)] * len(seen)
fig = plots.lines(
    curves,
    title="Flipped squares: the trained model holds them, as mine and yours",
    x="read after",
    y="share read right",
)
fig.update_xaxes(tickvals=list(range(len(seen))), ticktext=list(seen))

# %% [markdown]
# The best layer is chosen on the games for choosing, and reported on the test games.

# %% tags=["nbval-check-output"]
LAYER = max(
    range(cfg.n_layers),
    key=lambda layer: share(right["mine/yours", "trained", f"layer {layer}"], choose),
)
print(f"best layer for mine/yours: {LAYER}")

# %%
PLACE = f"layer {LAYER}"
hits = {(basis, f"model, {name}"): right[basis, name, PLACE] for basis in truth for name in readers}
other_game = torch.arange(len(games)).roll(1)
for basis, boards in truth.items():
    moves = world.history(tokens.cpu(), relative=basis == "mine/yours")
    hits[basis, "the moves themselves"] = read_board(board_probe(moves, boards), moves) == boards
    wrong = board_probe(seen[PLACE], boards[other_game])
    hits[basis, "model, wrong boards"] = read_board(wrong, seen[PLACE]) == boards
    common = torch.stack([boards[fit[:, t], t].mode(0).values for t in range(1, n_time)])
    common = torch.cat([common[:1], common])
    hits[basis, "most common state"] = common == boards
    placed = world.placed_by(games)[:, :n_time]
    hits[basis, "who played there"] = placed == board

rows = []
for name in dict.fromkeys(name for _, name in hits):
    cells = [
        f"{share(hits[basis, name], test, squares):.3f}"
        for basis in truth
        for squares in (None, flipped)
    ]
    rows.append((name, *cells))
plots.table(
    rows,
    columns=[
        f"read from (layer {LAYER})",
        "mine/yours, all squares",
        "flipped squares",
        "black/white, all squares",
        "flipped squares",
    ],
)

# %% [markdown]
# *All squares.* The mine/yours probe is right on **0.955** of them (**0.953** to **0.957** over games), the
# black/white probe on **0.765**. That is the papers' contrast. But look at the rows below. Who played there is
# right on **0.82**, and a probe on the moves themselves on **0.897**, with no model at all. (The untrained model,
# which only scrambles them, comes to **0.681**.) An accuracy on all squares says little.
#
# *Flipped squares*, **0.33** of all discs. Here the trained model's mine/yours probe is right on **0.90**
# (**0.89** to **0.91**), the moves themselves on **0.63**, the untrained model on **0.51**. Turning discs over is
# work that somebody must do, and the model has done most of it.
#
# *Black/white*: **0.52** of the flipped squares. Over all squares this probe on the model does *worse* than the
# same probe on the bare moves (**0.86**). So is black or white not in the model? Black is *mine* when black is to
# move, and *yours* when not. The model holds both, each linearly. But the colour is the *product* of the two, and
# a linear probe cannot multiply. That is what "not linear" meant here. (Fit the black/white probe only where
# black is to move, and it is the mine/yours probe.)

# %% tags=["numbers"]
by_square = {key: with_interval(values.double().mean(-1), test) for key, values in hits.items()}


def on_flipped(key) -> tuple[float, float, float]:
    """Share right on flipped squares, with its interval over games."""
    where = flipped & test[..., None]
    groups = number[..., None].expand_as(where)[where].tolist()
    low, high = bootstrap(hits[key][where].double(), groups=groups)
    return share(hits[key], test, flipped), low, high


mine, theirs = ("mine/yours", "model, trained"), ("black/white", "model, trained")
past = ("mine/yours", "the moves themselves")
raw = ("mine/yours", "model, untrained")
claim("mine/yours, all squares", by_square[mine][0], text=0.955, within=0.005)
claim("mine/yours, low", by_square[mine][1], text=0.953, within=0.005)
claim("mine/yours, high", by_square[mine][2], text=0.957, within=0.005)
claim("black/white, all squares", by_square[theirs][0], text=0.765, within=0.01)
claim("moves themselves, all squares", by_square[past][0], text=0.897, within=0.01)
claim("untrained, all squares", by_square[raw][0], text=0.681, within=0.01)
flips = {key: on_flipped(key) for key in (mine, theirs, past, raw)}
assert flips[mine][1] > flips[past][2] and flips[past][1] > flips[raw][2]
assert by_square[mine][1] > by_square[past][2]
claim("mine/yours, flipped", flips[mine][0], text=0.90, within=0.02)
claim("mine/yours, flipped, low", flips[mine][1], text=0.89, within=0.02)
claim("mine/yours, flipped, high", flips[mine][2], text=0.91, within=0.02)
claim("black/white, flipped", flips[theirs][0], text=0.52, within=0.03)
claim("moves themselves, flipped", flips[past][0], text=0.63, within=0.02)
claim("untrained, flipped", flips[raw][0], text=0.51, within=0.02)
n_flipped = (flipped & test[..., None]).sum() / (occupied & test[..., None]).sum()
claim(
    "who played there, all squares",
    share(hits["mine/yours", "who played there"], test),
    text=0.82,
    within=0.01,
)
claim(
    "black/white, moves themselves",
    share(hits["black/white", "the moves themselves"], test),
    text=0.86,
    within=0.01,
)
black_to_move = (torch.arange(n_time) % 2 == 0).double().expand(len(games), -1)
turn = affine_predict(
    seen[PLACE][test], affine_fit(seen[PLACE][fit], black_to_move[fit][:, None], ridge=1e-3)
)
assert ((turn[:, 0] > 0.5) == (black_to_move[test] > 0.5)).double().mean() > 0.99, "who moves"
claim("share of discs that are flipped", n_flipped, text=0.33, within=0.02)

# %% [markdown]
# ### 4. Change the board in its mind
#
# A probe reads. Does the *model* read the same thing? Lesson 05 asked this of a truth direction. Here the answer
# is sharper, because you know exactly what should follow: turn one disc over in the model's mind, and other moves
# become legal.
#
# The probe gives three scores for each square. The difference of its weights for *mine* and *yours* is a
# direction, and `resid @ direction + bias` is positive where the probe says mine. To flip the square, move the
# residual stream along the direction until the score is the opposite. And leave everything at right angles to it
# alone.
#
# ### Exercise 4 · flip a square (15 minutes, medium)


# %%
def flip_along(
    resid: torch.Tensor, direction: torch.Tensor, bias: torch.Tensor, scale: float
) -> torch.Tensor:
    """`resid` moved along `direction` until its score is `-scale` times what it was.

    The score of an example is `resid @ direction + bias`.

    Args:
        resid: [example, d_model].
        direction: [example, d_model], one for each example, of any length.
        bias: [example].
        scale: 1 mirrors the score; more overshoots.
    """
    ### BEGIN SOLUTION
    score = (resid * direction).sum(-1) + bias
    step = (1 + scale) * score / direction.pow(2).sum(-1)
    return resid - step[:, None] * direction
    ### END SOLUTION


# %% tags=["check"]
lesson_06.check_flip_along(flip_along)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Going a step `a * direction` changes the score by `a` times the direction's squared length. By how much must the
# score change in all?
#
# </details>
# <details><summary>Hint 2</summary>
#
# From `score` to `-scale * score` is a change of `-(1 + scale) * score`. One score for each example: `(resid *
# direction).sum(-1) + bias`.
#
# </details>

# %% [markdown]
# And the measure. Let N be the number of legal moves on the *edited* board. Take the model's N likeliest squares:
# count those that are not legal there, and those legal ones that are missing.
#
# ### Exercise 5 · legal-move errors (10 minutes, medium)


# %%
def legal_move_errors(logits: torch.Tensor, legal: torch.Tensor) -> torch.Tensor:
    """Wrong squares among the N likeliest, plus legal ones missing from them, [example].

    Args:
        logits: [example, square].
        legal: boolean, [example, square]; N is the number of legal moves of each example.
    """
    ### BEGIN SOLUTION
    rank = logits.argsort(-1, descending=True).argsort(-1)
    chosen = rank < legal.sum(-1, keepdim=True)
    return (chosen != legal).sum(-1).float()
    ### END SOLUTION


# %% tags=["check"]
lesson_06.check_legal_move_errors(legal_move_errors)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# N differs from board to board, so `topk` with one number will not do. What is each square's *rank*?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `logits.argsort(-1, descending=True).argsort(-1)` is the rank, 0 for the likeliest. A square is chosen if its
# rank is below N; compare `chosen` with `legal`.
#
# </details>

# %% [markdown]
# `world.draw_edits` picks positions and an occupied square, so that turning that one disc changes the legal
# moves. (Such a board may be one that no game can reach.) We edit the last position only, after one layer or
# after several, with each layer's own probe.
#
# Which layers, and what scale? That is chosen on the games for choosing. The controls, on the test games:
#
# - a **random direction**, with steps as long as the probe's;
# - the flip of **another** occupied square: as good a direction, for the wrong square;
# - the **black/white** probe's direction, with steps as long.

# %%
from utils.world import flip_along, legal_move_errors


def edits_in(start: int, n_games: int, *, n: int, seed: int) -> tuple:
    """Edits in some of the games, and what the model has read in each."""
    generator = torch.Generator().manual_seed(seed)
    some = othello.replay(games[start : start + n_games])
    edits = world.draw_edits(some, n=n, generator=generator)
    return edits, tokens[start + edits.game.to(device)]


def flipper(layer: int, square: torch.Tensor, scale: float, basis: str = "mine/yours"):
    """The change of the residual stream after a layer that flips a square for each example."""
    direction, bias = world.flip_direction(probes[basis, "trained", f"layer {layer}"], square)
    direction, bias = direction.float().to(device), bias.float().to(device)
    return lambda resid: flip_along(resid, direction, bias, scale)


def errors(drawn, layers, scale: float, how: str = "flip") -> torch.Tensor:
    """Legal-move errors on the edited boards, [edit], after such a change in each of the layers."""
    edits, read = drawn
    generator, changes = torch.Generator().manual_seed(4002), {}
    for layer in layers:
        change = flipper(layer, edits.square, scale)
        if how == "another square":
            change = flipper(layer, edits.another, scale)
        elif how == "random":
            change = world.as_long(None, change, generator=generator)
        elif how == "black/white":
            change = world.as_long(flipper(layer, edits.square, scale, "black/white"), change)
        changes[f"blocks.{layer}.hook_resid_post"] = change
    found = world.logits_after(model, read, edits.time.to(device), changes)
    return legal_move_errors(found.cpu(), edits.legal)


drawn = edits_in(N_FIT, N_CHOOSE, n=120, seed=4003)
spans = [range(a, b + 1) for a in range(cfg.n_layers - 1) for b in range(a, cfg.n_layers - 1)]
tried = {
    (span, scale): errors(drawn, span, scale).mean().item()
    for span in spans
    for scale in (1.0, 2.0, 4.0, 6.0)
}
LAYERS, SCALE = min(tried, key=tried.get)
print(f"best: after layers {list(LAYERS)}, scale {SCALE:g} ({len(tried)} settings tried)")

# %%
drawn = edits_in(N_FIT + N_CHOOSE, N_TEST, n=250, seed=4004)
edits, read = drawn
before = errors(drawn, [], 0.0)
true_legal = played.legal[N_FIT + N_CHOOSE + edits.game, edits.time]
unedited = world.logits_after(model, read, edits.time.to(device), {}).cpu()
floor = legal_move_errors(unedited, true_legal)  # on the boards as they really are
HOWS = {
    "flip": "flip this square",
    "another square": "flip another square",
    "black/white": "black/white direction",
    "random": "random direction",
}
SCALES = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
dose = {how: [errors(drawn, LAYERS, scale, how) for scale in SCALES] for how in HOWS}
plots.lines(
    {name: [values.mean().item() for values in dose[how]] for how, name in HOWS.items()}
    | {"unedited model, unedited board": [floor.mean().item()] * len(SCALES)},
    at=SCALES,
    title="Flip a square in its mind, and the model plays by the new board",
    x="scale",
    y="legal-move errors",
)

# %% [markdown]
# (Scale 0 goes as far as the line between *mine* and *yours*, scale 1 as far again beyond it.)

# %%
final = {how: errors(drawn, LAYERS, SCALE, how) for how in HOWS}


def edit_interval(values: torch.Tensor) -> tuple[float, float, float]:
    """Mean over edits, and its 95% interval over games."""
    return values.mean().item(), *bootstrap(values, groups=edits.game.tolist())


cells = {
    "nothing changed": before,
    **{name: final[how] for how, name in HOWS.items()},
    "nothing changed, on the unedited board": floor,
}
plots.table(
    [
        (name, f"{mean:.2f}", f"{low:.2f} to {high:.2f}")
        for name, values in cells.items()
        for mean, low, high in [edit_interval(values)]
    ],
    columns=["what was done to the model", "errors on the edited board", "95% interval over games"],
)

# %% [markdown]
# Before the edit the model makes **2.26** errors on the edited boards: it plays on the real ones. After the flip
# it makes **0.70** (**0.57** to **0.83** over games). The rest of the way is partly its own: on boards that
# nobody edited it makes **0.18**. Steps of the same length in random directions leave **2.81**, along the
# black/white direction **2.22**. Flipping another square gives **2.78**: then the model plays on a third board.
#
# The layers and the scale were the best of 60 settings, on other games. So the model does not only hold the
# board: it *uses* it, along the probe's direction, to choose its moves.

# %% tags=["numbers"]
edited = {name: edit_interval(values) for name, values in final.items()}
claim("errors, nothing changed", before.mean(), text=2.26, within=0.1)
claim("errors after the flip", edited["flip"][0], text=0.70, within=0.1)
claim("errors after the flip, low", edited["flip"][1], text=0.57, within=0.1)
claim("errors after the flip, high", edited["flip"][2], text=0.83, within=0.12)
claim("errors, random direction", edited["random"][0], text=2.81, within=0.15)
claim("errors, another square", edited["another square"][0], text=2.78, within=0.15)
claim("errors, black/white direction", edited["black/white"][0], text=2.22, within=0.15)
assert len(tried) == 60
assert edited["flip"][2] < min(
    edited[how][1] for how in ("random", "another square", "black/white")
)
claim("errors, unedited boards", floor.mean(), text=0.18, within=0.05)

# %% [markdown]
# ### 5. What this does not show
#
# - *That the model computes the board as you would.* It may keep thirty-six separate little rules that agree with
#   a board. A probe that is right nearly always cannot tell the two apart, and random play visits only some
#   boards.
# - *That the model has no other idea of the board.* The edit hits what the later layers read; what else they read
#   we did not ask.
# - *That this happens in language models.* Here every move depends on the board, and the training data are
#   nothing but moves. It is the best case for a world model.
# - *That it holds for other models.* One model, one seed, one game. And its training was kinder than the papers':
#   it was shown all legal moves at each position. `data/othello/README.md` says what became of training on the
#   played moves alone.

# %% [markdown]
# ## Part B. A world that nobody can see
#
# ### 6. Belief
#
# The board was certain: whoever knows the moves knows it. Most worlds are not like that. Now the world is a
# **hidden Markov process**: it is in one of a few states that you never see. At each step it moves to a next
# state by chance and emits a token by chance. You see the tokens.
#
# *Mess3* has three states and three tokens. From each state it stays with probability `0.9` and moves to each
# other one with `0.05`. Then the new state emits "its" token with probability `0.85`, and each of the others with
# `0.075`. So the last tokens tell you a good deal about where the process is, and never all.
#
# All that an ideal observer can have is a **belief**: a probability for each state. Three numbers that sum to 1
# are a point in a triangle (a *simplex*), whose corners are certainty. Each token moves the point. All the points
# that can be reached form a pattern within a pattern, a fractal.
#
# Shai and colleagues (2024) found this picture in the residual stream of a transformer, by *linear regression*.
# That is what you will do, and then ask what it proves.
#
# The process is one tensor: `T[a, i, j]` is the probability that state `i` emits token `a` and moves to state
# `j`.
#
# ### Exercise 6 · one more token (15 minutes, medium)


# %%
def belief_update(belief: torch.Tensor, token: torch.Tensor, T: torch.Tensor) -> torch.Tensor:
    """The ideal observer's belief after one more token, [batch, state].

    Args:
        belief: [batch, state], rows sum to 1: the belief before the token.
        token: [batch], ids; each row has its own.
        T: [token, state, next_state].
    """
    ### BEGIN SOLUTION
    joint = torch.einsum("bi,bij->bj", belief, T[token])
    return joint / joint.sum(-1, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
lesson_06.check_belief_update(belief_update)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The joint probability of "this token was emitted" and "now in state j" is a sum over where the process was:
# belief in i, times `T[token, i, j]`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `T[token]` is [batch, from, to]. `torch.einsum("bi,bij->bj", ...)` sums over `i`. Dividing each row by its sum
# makes it a belief.
#
# </details>

# %% [markdown]
# ### 7. The gate: as good as the ideal observer?
#
# A small transformer (three layers, width 64) was trained on Mess3, to predict the next token from up to 16. How
# far is its loss above that of the ideal observer, which nobody can beat? In *millinats*, thousandths of a nat.
#
# The controls: an untrained model, and observers who are ideal but **forget**: they know only the last `k`
# tokens. For such a process the belief given the last `k` tokens is what you get by starting the update `k`
# tokens ago.

# %%
from data.beliefs import make as beliefs_recipe
from utils import beliefs
from utils.beliefs import belief_update, r_squared, r_squared_within

WINDOWS = (1, 2, 3, 4, 5, 6)


def study(process: str) -> dict:
    """A process, its trained model, an untrained one, and sequences with the ideal belief at their end."""
    T = beliefs.PROCESSES[process]()
    settings = beliefs_recipe.Recipe()
    watcher = load(f"beliefs/{process}", device="cpu")
    raw = beliefs_recipe.new_model(settings, n_tokens=len(T), seed=1000)
    halves = beliefs_recipe.different_sequences(T, 4000, length=settings.n_ctx, seed=4005)
    found = {"T": T, "fit": halves[0], "test": halves[1]}
    for half in ("fit", "test"):
        found[f"{half} belief"] = beliefs.beliefs(found[half], T)[:, -1]
        for name, each in {"trained": watcher, "untrained": raw}.items():
            found[f"{half} {name}"] = beliefs_recipe.residuals(each, found[half])
    fresh = beliefs.sample(
        T, 4000, length=settings.n_ctx, generator=torch.Generator().manual_seed(4006)
    )
    ideal = beliefs.beliefs(fresh, T)
    with torch.no_grad():
        excess = {
            name: beliefs.excess_loss(each(fresh), ideal, T)[:, -1]
            for name, each in {"trained": watcher, "untrained": raw}.items()
        }
    for k in WINDOWS:
        short = beliefs.next_token_probs(beliefs.beliefs(fresh[:, -k:], T)[:, -1], T)
        excess[f"last {k}"] = beliefs.excess_loss(short.log(), ideal[:, -1], T)
    found["excess"] = {name: 1000 * values.mean().item() for name, values in excess.items()}
    return found


mess3 = study("mess3")
plots.table(
    [(name, f"{value:.2f}") for name, value in mess3["excess"].items()],
    columns=["who predicts (after 16 tokens)", "millinats above the ideal observer"],
)

# %% [markdown]
# The trained model is **0.53** millinats above the ideal observer, the untrained one **344**. So it predicts
# almost perfectly.
#
# But see who else does. An observer who remembers three tokens is at **4.5**, with five at **0.30**. The process
# forgets quickly, and so a short memory goes a long way. Keep this in mind for the next picture.

# %% tags=["numbers"]
claim("trained, millinats", mess3["excess"]["trained"], text=0.53, within=0.15)
claim("untrained, millinats", mess3["excess"]["untrained"], text=344, within=40)
claim("last 3, millinats", mess3["excess"]["last 3"], text=4.5, within=0.5)
claim("last 5, millinats", mess3["excess"]["last 5"], text=0.30, within=0.08)

# %% [markdown]
# ### 8. The triangle in the residual stream
#
# Your `affine_fit` once more: from the residual stream after the last layer, at the last position, to the belief.
# Half of the sequences are for fitting, the other half, none of which is among the first, for the picture.
#
# *Predict first:* what will the same regression give on the untrained model?


# %%
def probe_belief(of: dict, seen: torch.Tensor, unseen: torch.Tensor) -> torch.Tensor:
    """Beliefs predicted for the test sequences, by a map fitted on the others."""
    return affine_predict(unseen, affine_fit(seen, of["fit belief"], ridge=1e-6))


def readings(of: dict, place: str = "layer 2") -> dict[str, torch.Tensor]:
    """Every prediction of the test sequences' beliefs that this lesson compares, [sequence, state]."""
    found = {
        name: probe_belief(of, of[f"fit {name}"][place], of[f"test {name}"][place])
        for name in ("trained", "untrained")
    }
    shuffle = torch.randperm(len(of["fit"]), generator=torch.Generator().manual_seed(4007))
    mixed = affine_fit(of["fit trained"][place], of["fit belief"][shuffle], ridge=1e-6)
    found["shuffled"] = affine_predict(of["test trained"][place], mixed)
    found["output"] = probe_belief(of, of["fit trained"]["output"], of["test trained"]["output"])
    logs = [of[f"{half} trained"]["output"].log() for half in ("fit", "test")]
    found["logits"] = probe_belief(of, *logs)
    one_hot = [
        torch.nn.functional.one_hot(of[half], len(of["T"])).flatten(1) for half in ("fit", "test")
    ]
    found["tokens"] = probe_belief(of, *one_hot)
    for k in WINDOWS:
        found[f"last {k}"] = beliefs.beliefs(of["test"][:, -k:], of["T"])[:, -1]
    return found


read = readings(mess3)
some = slice(0, 1500)
plots.simplex(
    {
        "what an ideal observer believes": beliefs.simplex_xy(mess3["test belief"][some]),
        "regression, trained model": beliefs.simplex_xy(read["trained"][some]),
        "regression, untrained model": beliefs.simplex_xy(read["untrained"][some]),
    },
    mess3["test belief"][some],
    title="The trained model's residual stream holds the triangle of beliefs, fine pattern and all",
)

# %% [markdown]
# (Every dot is one sequence of 16 tokens, in the same colour in all three: the belief mixes blue, orange and
# black.)
#
# The picture is the paper's, and it is convincing. How much of it is news? R2 is the share of the beliefs'
# variance that a prediction explains. The second column asks only about what the last three tokens leave open:
# the variance *among* sequences whose last three tokens are the same. An observer with a memory of three has 0
# there.

# %%
NAMES = {
    "trained": "residual stream, trained model",
    "untrained": "residual stream, untrained model",
    "shuffled": "trained model, beliefs shuffled",
    "output": "next-token probabilities of the trained model",
    "logits": "their logarithms (its logits)",
    "tokens": "the 16 tokens themselves, one-hot",
    "last 1": "an observer who remembers 1 token",
    "last 2": "an observer who remembers 2 tokens",
    "last 3": "an observer who remembers 3 tokens",
    "last 5": "an observer who remembers 5 tokens",
}


def scores(of: dict, found: dict[str, torch.Tensor]) -> dict[str, tuple[float, float, float]]:
    """R2, R2 among sequences with the same last three tokens, and the root mean squared error."""
    window = beliefs.last_tokens(of["test"], 3, n_tokens=len(of["T"]))
    truth = of["test belief"]
    return {
        name: (
            r_squared(values, truth),
            r_squared_within(values, truth, window),
            (values - truth).pow(2).mean().sqrt().item(),
        )
        for name, values in found.items()
    }


mess3_scores = scores(mess3, read)
plots.table(
    [(NAMES[name], *(f"{value:.3f}" for value in mess3_scores[name])) for name in NAMES],
    columns=["belief predicted from", "R2", "R2 beyond the last 3 tokens", "error (RMSE)"],
)

# %% [markdown]
# Read the first column from below. One token of memory gives an R2 of **0.80**, and three **0.985**. An
# *untrained* transformer, which is a random mixture of its tokens, gives **0.94**. So "R2 above **0.94**" would
# be no evidence for anything. The trained model's **0.999** is not much higher. But beyond the last three tokens
# it explains **0.90**, and both the untrained model and the tokens themselves fall far below 0 there, which is
# worse than a memory of three.
#
# Still, an observer who remembers five tokens does as well. What you see in the picture is the belief as far back
# as about five tokens. It does not say that the model keeps a belief and updates it token by token: it could look
# at the last tokens afresh each time.
#
# And there is a second null. From the *next-token probabilities* of the model the regression is as good:
# **0.998**. It must be. For Mess3 the ideal next-token probabilities are a linear image of the belief, three
# numbers from three numbers, and the map can be inverted. So **a model that predicts Mess3 well must hold the
# triangle, at the latest in its output**. To be exact, the residual stream must hold the logarithms of those
# probabilities, which bend the triangle: a regression on them gives **0.991**. So nearly all of the picture
# follows from the gate, and only its straightness is the model's own.
#
# So Mess3 cannot show what is most interesting in the paper: that the residual stream holds *more* than the next
# token needs.

# %% tags=["numbers"]
claim("R2, memory of 1", mess3_scores["last 1"][0], text=0.80, within=0.02)
claim("R2, memory of 3", mess3_scores["last 3"][0], text=0.985, within=0.004)
claim("R2, untrained", mess3_scores["untrained"][0], text=0.94, within=0.02)
claim("R2, trained", mess3_scores["trained"][0], text=0.999, within=0.001)
claim("R2 beyond 3 tokens, trained", mess3_scores["trained"][1], text=0.90, within=0.04)
claim("R2, logits", mess3_scores["logits"][0], text=0.991, within=0.002)
claim("R2, output", mess3_scores["output"][0], text=0.998, within=0.002)
assert mess3_scores["untrained"][1] < -1 and mess3_scores["tokens"][1] < -1
assert mess3_scores["shuffled"][0] < 0.05
assert mess3_scores["last 5"][0] > mess3_scores["trained"][0] - 0.001 > mess3_scores["last 4"][0]
assert torch.linalg.matrix_rank(mess3["T"].sum(-1)) == 3, "the map can be inverted"

# %% [markdown]
# ### 9. A process whose next token says too little
#
# For that question you need a process in which two beliefs can differ and predict the *same* next token. The
# paper takes one called RRXOR. Ours is simpler: a **noisy clock**. Three states follow each other in a ring, `0`
# to `1` to `2` to `0`. Each step the clock goes on with probability `0.8` and rests with `0.2`. In state 0 it
# emits a tick with probability `0.85`, in the other two states with `0.15`.
#
# There are two tokens only, so the next-token prediction is *one* number, and the belief is two. States 1 and 2
# sound alike, but they are not: from 2 the tick comes sooner. A model that predicts the next token perfectly may
# forget the difference as soon as it has made its prediction. *Predict first:* does it?

# %%
clock = study("clock")
clock_read = readings(clock)
clock_scores = scores(clock, clock_read)
print({name: round(value, 2) for name, value in clock["excess"].items()})
plots.table(
    [(NAMES[name], *(f"{value:.3f}" for value in clock_scores[name])) for name in NAMES],
    columns=["belief predicted from", "R2", "R2 beyond the last 3 tokens", "error (RMSE)"],
)

# %%
plots.simplex(
    {
        "what an ideal observer believes": beliefs.simplex_xy(clock["test belief"][some]),
        "regression, residual stream": beliefs.simplex_xy(clock_read["trained"][some]),
        "regression, next-token probabilities": beliefs.simplex_xy(clock_read["output"][some]),
    },
    clock["test belief"][some],
    title="The clock: the residual stream holds the plane of beliefs, the prediction a line of it",
)

# %% [markdown]
# The gate first: **0.68** millinats above the ideal observer. Its next-token probabilities explain **0.38** of
# the belief, and its residual stream **0.993** (interval over sequences: **0.993** to **0.994**). So the last
# layer holds much that this prediction does not need. (No later position can read the last layer. It already
# stands in the layer below, which later positions do read.)
#
# Is that the belief, or just the tokens, which travel along in the residual stream anyway? The untrained model
# holds them too, and reaches **0.95**! That is why R2 alone is not the point, and why the second column is:
# beyond the last three tokens the trained model explains **0.90** and the untrained **0.29**. A linear map of the
# 16 tokens themselves comes to **-0.5**. So training has put something there that the tokens do not give
# linearly, and that looks back further.
#
# And over seeds? Two more models of each process were trained, and `data/beliefs/seeds.json` has them. Mess3: R2
# between **0.9976** and **0.9983**. The clock, beyond the last three tokens, the trained models lie between
# **0.88** and **0.91**, the best of three untrained ones at **0.24**.


# %% tags=["numbers"]
def r2_interval(of: dict, predicted: torch.Tensor) -> tuple[float, float]:
    """95% interval of R2, over sequences."""
    truth = of["test belief"]
    missed = (predicted - truth).pow(2).sum(-1)
    missed = missed / (truth - truth.mean(0)).pow(2).sum(-1).mean()
    low, high = bootstrap(missed)
    return 1 - high, 1 - low


claim("clock, millinats", clock["excess"]["trained"], text=0.68, within=0.15)
claim("clock, output", clock_scores["output"][0], text=0.38, within=0.03)
claim("clock, trained", clock_scores["trained"][0], text=0.993, within=0.003)
low, high = r2_interval(clock, clock_read["trained"])
claim("clock, trained, low", low, text=0.993, within=0.003)
claim("clock, trained, high", high, text=0.994, within=0.003)
claim("clock, untrained", clock_scores["untrained"][0], text=0.95, within=0.02)
claim("clock, trained, beyond 3", clock_scores["trained"][1], text=0.90, within=0.04)
claim("clock, tokens, beyond 3", clock_scores["tokens"][1], text=-0.5, within=0.25)
claim("clock, untrained, beyond 3", clock_scores["untrained"][1], text=0.29, within=0.1)
kept = json.loads((root / "data" / "beliefs" / "seeds.json").read_text())
over_seeds = {
    name: [kept[f"clock, seed {seed}"][name]["layer 2"][1] for seed in (0, 1, 2)]
    for name in ("trained", "untrained")
}
of_mess3 = [kept[f"mess3, seed {seed}"]["trained"]["layer 2"][0] for seed in (0, 1, 2)]
claim("Mess3, lowest seed", min(of_mess3), text=0.9976, within=0.0005)
claim("Mess3, highest seed", max(of_mess3), text=0.9983, within=0.0005)
claim("clock, beyond 3, lowest seed", min(over_seeds["trained"]), text=0.88, within=0.005)
claim("clock, beyond 3, highest seed", max(over_seeds["trained"]), text=0.91, within=0.005)
claim("clock, beyond 3, untrained", max(over_seeds["untrained"]), text=0.24, within=0.005)
assert torch.linalg.matrix_rank(clock["T"].sum(-1)) == 2

# %% [markdown]
# ### 10. Layer by layer
#
# The share of the variance that each probe *misses*, on a scale where each line of the grid is a factor of ten.


# %%
def missed(of: dict, name: str, place: str) -> float:
    """Share of the beliefs' variance that a probe misses."""
    found = probe_belief(of, of[f"fit {name}"][place], of[f"test {name}"][place])
    return 1 - r_squared(found, of["test belief"])


places = ["embedding", "layer 0", "layer 1", "layer 2"]
by_layer = {
    f"{title}, {name}": [missed(of, name, place) for place in places]
    for title, of in {"Mess3": mess3, "clock": clock}.items()
    for name in ("trained", "untrained")
}
fig = plots.lines(
    by_layer,
    log_y=True,
    title="One layer is enough for Mess3; the clock takes two",
    x="read after",
    y="share of the variance missed",
)
fig.update_xaxes(tickvals=list(range(4)), ticktext=places)

# %% [markdown]
# For Mess3 the first layer does all of it, and later layers add nothing to the probe (in all three seeds). The
# clock takes two layers: after the first the probe misses **0.024** of the variance, after the last **0.007**.
# That is less than an observer with a memory of five tokens misses, **0.015**.

# %% tags=["numbers"]
claim("clock, missed after layer 0", by_layer["clock, trained"][1], text=0.024, within=0.005)
claim("clock, missed after layer 2", by_layer["clock, trained"][3], text=0.007, within=0.002)
claim("clock, missed with 5 tokens", 1 - clock_scores["last 5"][0], text=0.015, within=0.002)
values = by_layer["Mess3, trained"]
for seed in (0, 1, 2):
    of_seed = kept[f"mess3, seed {seed}"]["trained"]
    assert of_seed["layer 0"][0] > of_seed["layer 2"][0] - 0.0005
assert max(values[1:]) < 1.3 * min(values[1:]) and values[1] < values[0] / 50
assert by_layer["clock, trained"][2] < 1.2 * by_layer["clock, trained"][3]

# %% [markdown]
# ## What you found

# %%
plots.table(
    [
        (
            "probability on legal moves",
            f"{gate[0]:.3f}",
            f"{mass['untrained'][test].mean():.2f} untrained; "
            f"{mass['knows the empty squares'][test].mean():.2f} empty squares",
            "about 99.99% top-1 legal (8 by 8)",
        ),
        (
            "mine/yours probe, all squares",
            f"{by_square[mine][0]:.3f}",
            f"{by_square[past][0]:.3f} moves themselves; {by_square[raw][0]:.3f} untrained",
            "99.5% (8 by 8, layer 7)",
        ),
        (
            "black/white probe, all squares",
            f"{by_square[theirs][0]:.3f}",
            f"{by_square['black/white', 'the moves themselves'][0]:.3f} moves themselves",
            "74% (8 by 8, layer 7)",
        ),
        (
            "mine/yours probe, flipped squares",
            f"{flips[mine][0]:.2f}",
            f"{flips[past][0]:.2f} moves themselves; {flips[raw][0]:.2f} untrained",
            "",
        ),
        (
            "legal-move errors after a flip",
            f"{before.mean():.2f} to {edited['flip'][0]:.2f}",
            f"{edited['random'][0]:.2f} random; {edited['another square'][0]:.2f} another square",
            "2.72 to 0.10 (8 by 8)",
        ),
        (
            "Mess3 beliefs from the residual stream, R2",
            f"{mess3_scores['trained'][0]:.3f}",
            f"{mess3_scores['untrained'][0]:.2f} untrained; {mess3_scores['output'][0]:.3f} from "
            "the output",
            "the same picture (Shai et al.)",
        ),
        (
            "clock beliefs beyond the last 3 tokens, R2",
            f"{clock_scores['trained'][1]:.2f}",
            f"{clock_scores['untrained'][1]:.2f} untrained; {clock_scores['output'][1]:.1f} from "
            "the output",
            "",
        ),
    ],
    columns=["", "ours", "control", "paper"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The list of moves is read by a *linear* probe. Would a stronger probe on the moves be a fair control, or
#    would it just learn the game?
# 2. Which squares does the probe get wrong? Are they the squares on which the model's own moves go wrong?
# 3. For Mess3 the geometry followed from the loss. For which processes does it not? What about English?
# 4. How would you tell a model that *updates* a belief from one that looks at the last tokens afresh? (It would
#    need a process that forgets slowly.)
#
# ## Common mistakes
#
# - Off by one in who moves next: at position `t` the model has read `t` moves, and predicts the next player's.
# - Splitting positions instead of games: two positions of one game are nearly the same board.
# - Scoring all squares: empty ones and never-flipped ones are easy, and hide the difference.
# - Calling a high R2 evidence, without the untrained model beside it.
# - One ridge for two models whose activations differ in size: it punishes the smaller ones, here the untrained
#   model's, and makes a control look worse than it is.
# - Forgetting to divide by the sum in Bayes' rule: beliefs shrink with every token.
#
# ## Where this breaks
#
# The board is small, the games are random, and the model sees nothing else. One model was trained for the board.
# Its edited boards need not be reachable ones. In part B a short memory explains most of the variance, for both
# processes.
#
# ## Further reading
#
# - Li et al. (2022), *Emergent World Representations*, arXiv 2210.13382
# - Nanda, Lee and Wattenberg (2023), *Emergent Linear Representations in World Models of Self-Supervised Sequence
#   Models*, arXiv 2309.00941
# - Shai et al. (2024), *Transformers Represent Belief State Geometry in their Residual Stream*, arXiv 2405.15943
#
# **Next:** 07 · Steering vectors, and what they cost

# %%
progress.show("06")
