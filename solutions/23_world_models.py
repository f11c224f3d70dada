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
# # 2.3 · World models: probing where the world is known
#
# [![Open lesson 2.3 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/23_world_models.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.2 · Probing without labels](22_probing_without_labels.ipynb) | **Next:** [3.1 · Steering vectors, and what they cost](31_steering_vectors.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/31_steering_vectors.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. probe a model for the state of a world that you know exactly, and say which part of the reading is worth
#    nothing;
# 2. change what a model believes about that world, and measure whether it plays along;
# 3. tell a model that holds a belief about a hidden state from one that only predicts its next token well.
#
# **Time** two hours. **Needs** lessons 00 and 2.1: the residual stream, hooks, linear probes and their controls.
# **Runs** in about two minutes on a laptop's processor.

# %% tags=["setup"]
import pathlib, runpy, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "https://github.com/heads-to-features/heads-to-features"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root, why = next(found, here / "heads-to-features"), "delete this folder, which is half there"
if not root.exists():
    git = f'git clone -q --depth=1 {url} "{root}"'
    why = " ".join(subprocess.getoutput(f"{git} -b v0.1.0 || {git}").split())[-200:]
if not (root / "utils" / "lesson.py").exists():
    sys.exit(f"Could not fetch the course to {root}; mend this, run the cell again: {why}")
runpy.run_path(str(root / "utils" / "lesson.py"))["begin"]()

# %%
import json

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.othello import make as othello_recipe
from data.othello import task as othello
from utils import plots
from utils.reading import linear
from utils.reading import figures, world
from utils.checks import lesson_23
from utils.lesson import claim
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
# squares. It was trained to predict the next move of random games.
#
# One thing made its training kinder than single games: at each position it was graded on the whole *set* of legal
# moves there. That set is a function of the board. So this is more supervision about the rules than single games
# give, though the target is the same on average. The board itself, its colours and rows, it is never shown.
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
    return figures.boards(
        {name: one.board[0, t] for name, t in names.items()},
        shade={name: one_probs[t].tolist() for name, t in names.items()},
        marked={name: one.legal[0, t].nonzero()[:, 0].tolist() for name, t in names.items()},
        last={name: int(one_game[0, t - 1]) for name, t in names.items() if t},
        title=title,
    )


figures.slider(
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


# %% tags=["exercise:data.othello.task.legal_mass"]
def legal_mass(
    logits: Float[Tensor, "... square"], legal: Bool[Tensor, "... square"]
) -> Float[Tensor, "..."]:
    """The share of the probability that falls on legal moves, one number for each position.

    Args:
        logits: of the next move; the axes in front, such as game and time, stay.
        legal: True where a move is legal.
    """
    ### BEGIN SOLUTION
    return (logits.softmax(-1) * legal).sum(-1)
    ### END SOLUTION


# %% tags=["check"]
legal_mass = lesson_23.check_legal_mass(legal_mass)

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
    """Logits, and what stands in the residual stream after the embedding and after each block."""
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens, names_filter=lambda n: "hook_resid" in n)
    places = {"embedding": cache["blocks.0.hook_resid_pre"].cpu()}
    for layer in range(model.cfg.n_layers):
        places[f"after block {layer}"] = cache[f"blocks.{layer}.hook_resid_post"].cpu()
    return logits.cpu(), places


logits, seen = residuals(model)
untrained_logits, untrained_seen = residuals(untrained)

legal, empty = played.legal[:, :n_time], played.board[:, :n_time] == 0
top = legal.gather(-1, logits.argmax(-1, keepdim=True))[..., 0].double()  # likeliest is legal
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
from utils.stats import bootstrap


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
# 95% interval over games: games are drawn anew with replacement, as in lesson 2.1). At its worst, move by move, it
# is **0.91**. An untrained model has **0.15**, and whoever knows only which squares are empty **0.43**.
#
# Its likeliest square is legal in a share of **0.995** of the positions.
#
# Memory of whole games is no explanation. Of openings of eight moves, a share of **0.80** stood in the training
# games; of openings of twelve moves, next to none. The model goes on as before. (Counted are the same moves in
# the same order. Another order that leads to the same board, or a mirrored game, counts as new.)

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
claim("likeliest square is legal", top[test].mean(), text=0.995, within=0.004)
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


# %% tags=["exercise:utils.reading.world.relative_board"]
def relative_board(board: Int[Tensor, "game time square"]) -> Int[Tensor, "game time square"]:
    """The boards as the player to move sees them: 1 mine, -1 yours, 0 empty.

    Source: Nanda et al., 2023 (arXiv 2309.00941).

    Args:
        board: 1 black, -1 white, 0 empty; time 0 is the opening position. Nobody passes.
    """
    ### BEGIN SOLUTION
    black_to_move = torch.arange(board.shape[1], device=board.device) % 2 == 0
    return torch.where(black_to_move[:, None], board, -board)
    ### END SOLUTION


# %% tags=["check"]
relative_board = lesson_23.check_relative_board(relative_board)

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
# In lesson 2.1 a probe was trained step by step. For least squares there is a formula. With a column of ones
# joined to the inputs `X`, so that the last weight is the bias, the best weights solve
#
# `(X.T @ X + R) W = X.T @ Y`.
#
# `R` is a diagonal matrix: `ridge` for every feature, and 0 for the bias, which should stay free. A small ridge
# keeps the solution unique, and its weights small where the data do not decide.
#
# You will use such a fit for both parts of this lesson.


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
lesson_23.check_affine_fit(affine_fit)

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
# The lesson goes on with `linear.ridge`: scikit-learn's ridge regression, which finds the same weights. Your `ridge`
# is called `penalty` there.
#
# The states -1, 0 and 1 are names, not amounts, so what should `Y` be? For each square three columns, one a state. That is 108
# targets, all solved at once, and the state with the highest prediction is the probe's answer
# (`world.one_hot_states` and `world.board_states` do the packing).
#
# Now think about controls *before* you look. A probe for the board could be right without any board in the model:
#
# - **most common state**: after so many moves, what does this square mostly hold?
# - **untrained model**: its residual stream holds the last move and, mixed by random weights, a little of the
#   others. Its best layer is chosen like the trained model's;
# - **the moves themselves**: no model at all. The probe reads the list of moves, one-hot for each move number.
#   This is the hardest of the controls: whatever it gets right needs no computation by the model. For
#   *mine/yours* it counts moves back from now, for *black/white* from the opening, so that who played is plain to
#   see in both. And it has nine times as many features as the model has.
#
# And think about which *squares* to score. Many discs still have the colour that was played there. For those it
# is enough to know **who played there**, and for empty squares, that nobody did. The telling squares are the
# **flipped** ones, which now have the other colour. Whoever reads only who played there is wrong on every one of
# them. But do not look at these alone: whether a disc is flipped is part of the answer. A reader that says "the
# other colour" too often gains on the flipped discs and pays on the **unflipped** ones. So look at both.

# %%
board = played.board[:, :n_time]
truth = {"mine/yours": relative_board(played.board)[:, :n_time], "black/white": board}
occupied = board != 0
flipped = occupied & (board != world.placed_by(games)[:, :n_time])
unflipped = occupied & ~flipped


def board_probe(
    features: torch.Tensor, boards: torch.Tensor, penalty: float = 1e-3
) -> linear.Affine:
    """A probe for boards [game, time, square], fitted on the games to fit."""
    return linear.ridge(features[fit], world.one_hot_states(boards[fit]), penalty=penalty)


def read_board(probe: linear.Affine, features: torch.Tensor) -> torch.Tensor:
    """What a probe says of every position, [game, time, square]."""
    return world.board_states(probe(features.flatten(0, 1))).view_as(board)


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
common = torch.stack([truth["mine/yours"][fit[:, t], t].mode(0).values for t in range(1, n_time)])
most_common = torch.cat([common[:1], common]) == truth["mine/yours"]
curves["the moves themselves, mine/yours"] = [share(from_moves, test, flipped)] * len(seen)
curves["most common state, mine/yours"] = [share(most_common, test, flipped)] * len(seen)
fig = plots.lines(
    curves,
    title="Flipped discs: the trained model holds them, as mine and yours",
    x="read after",
    y="share read right",
)
fig.update_xaxes(tickvals=list(range(len(seen))), ticktext=list(seen))

# %% [markdown]
# The best layer is chosen on the games for choosing, and reported on the test games.


# %% tags=["nbval-check-output"]
def best_place(name: str) -> str:
    """Where the mine/yours probe is right most often, on the games for choosing."""
    return max(seen, key=lambda place: share(right["mine/yours", name, place], choose))


PLACE = best_place("trained")
print(f"best place for mine/yours: {PLACE}")

# %%
best = {"trained": PLACE, "untrained": best_place("untrained")}
hits = {
    (basis, f"model, {name}"): right[basis, name, best[name]] for basis in truth for name in readers
}
absolute = world.history(tokens.cpu(), relative=False)
hits |= {
    ("mine/yours", "the moves themselves"): from_moves,
    ("black/white", "the moves themselves"): read_board(board_probe(absolute, board), absolute)
    == board,
    ("mine/yours", "most common state"): most_common,
    ("mine/yours", "who played there"): world.placed_by(games)[:, :n_time] == board,
}
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
flips = {key: on_flipped(key) for key in (mine, past, raw)}
on_unflipped = {
    key[1]: share(values, test, unflipped) for key, values in hits.items() if key[0] == mine[0]
}
rows = []
for name in dict.fromkeys(name for _, name in hits):
    cells = [
        f"{share(hits['mine/yours', name], test, squares):.3f}"
        for squares in (None, flipped, unflipped)
    ]
    both = hits.get(("black/white", name))
    rows.append((name, *cells, "" if both is None else f"{share(both, test):.3f}"))
plots.table(
    rows,
    columns=[
        f"read from (trained: {PLACE})",
        "mine/yours, all squares",
        "flipped discs",
        "unflipped discs",
        "black/white, all squares",
    ],
)

# %%
# Is it black's turn? And the product: whose turn, as read, times mine or yours, as read.
black_to_move = (torch.arange(n_time) % 2 == 0).double().expand(len(games), -1)


def read_turn(features: torch.Tensor) -> torch.Tensor:
    """Whose turn a probe reads at each position, [game, time]: 1 black's, -1 white's."""
    probe = linear.ridge(features[fit], black_to_move[fit][:, None], penalty=1e-3)
    found = probe(features.flatten(0, 1)).view(len(games), n_time)
    return torch.where(found > 0.5, 1, -1)


turn_right = {}
for name, places in readers.items():
    found = read_turn(places[best[name]])
    turn_right[name] = ((found > 0) == (black_to_move > 0.5))[test].double().mean().item()
mine_read = read_board(probes["mine/yours", "trained", PLACE], seen[PLACE])
product = mine_read * read_turn(seen[PLACE])[..., None] == board
print({name: round(value, 3) for name, value in turn_right.items()})
print(f"black/white from the product: {share(product, test):.3f}")

# %% [markdown]
# *All squares.* The mine/yours probe is right on **0.955** of them (**0.953** to **0.957** over games), the
# black/white probe on **0.765**. That is the papers' contrast. But look at the rows below. Who played there is
# right on **0.82**, and a probe on the moves themselves on **0.897**, with no model at all. (The untrained model
# comes to **0.682**. It has lost most of the moves: its embedding alone does about as well as any layer of it.)
# An accuracy on all squares says little.
#
# *Discs.* **0.33** of them are flipped. On these the trained model's mine/yours probe is right on **0.90**
# (**0.89** to **0.91**), the moves themselves on **0.63**, the untrained model on **0.51**, the most common state
# on **0.45**. Nor does the trained model pay on the others: on the unflipped ones it is right on **0.93**, the moves on **0.90**,
# the untrained model on **0.48**, the most common state on **0.36**. So a linear probe on the moves reads most
# unflipped discs and misses many flipped ones. The model's probe reads both. Turning discs over is work that
# somebody must do, and the model has done most of it.
#
# *Black/white.* Here the probe on the model does *worse* than one on the bare moves (**0.86**). So is black or
# white not in the model? Black is *mine* when black is to move, and *yours* when not. The model holds both, each
# linearly: whose turn it is, a probe reads in nearly all positions (in the untrained model's too, **0.99**: it
# only takes the position's number). But the colour is the *product* of the two, and a linear probe cannot
# multiply. Do it for the probes, and black/white comes to **0.955**. That is what "not linear" meant here.

# %% tags=["numbers"]
claim("mine/yours, all squares", by_square[mine][0], text=0.955, within=0.005)
claim("mine/yours, low", by_square[mine][1], text=0.953, within=0.005)
claim("mine/yours, high", by_square[mine][2], text=0.957, within=0.005)
claim("black/white, all squares", by_square[theirs][0], text=0.765, within=0.01)
claim("moves themselves, all squares", by_square[past][0], text=0.897, within=0.01)
claim("untrained, all squares", by_square[raw][0], text=0.682, within=0.02)
of_untrained = [share(right["mine/yours", "untrained", place], test) for place in seen]
assert max(of_untrained) - of_untrained[0] < 0.04, "the embedding does about as well"
assert flips[mine][1] > flips[past][2] and flips[past][1] > flips[raw][2]
assert by_square[mine][1] > by_square[past][2]
claim("mine/yours, flipped", flips[mine][0], text=0.90, within=0.02)
claim("mine/yours, flipped, low", flips[mine][1], text=0.89, within=0.02)
claim("mine/yours, flipped, high", flips[mine][2], text=0.91, within=0.02)
claim("moves themselves, flipped", flips[past][0], text=0.63, within=0.02)
claim("untrained, flipped", flips[raw][0], text=0.51, within=0.02)
claim("most common, flipped", share(most_common, test, flipped), text=0.45, within=0.02)
claim("mine/yours, unflipped", on_unflipped[mine[1]], text=0.93, within=0.02)
claim("moves themselves, unflipped", on_unflipped[past[1]], text=0.90, within=0.02)
claim("untrained, unflipped", on_unflipped[raw[1]], text=0.48, within=0.02)
claim("most common, unflipped", on_unflipped["most common state"], text=0.36, within=0.02)
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
assert turn_right["trained"] > 0.99
claim("turn, untrained", turn_right["untrained"], text=0.99, within=0.02)
claim("black/white from the product", share(product, test), text=0.955, within=0.006)
assert moves.shape[-1] == 9 * cfg.d_model
heavier = read_board(board_probe(moves, truth["mine/yours"], penalty=10.0), moves)
heavier = share(heavier == truth["mine/yours"], test, flipped)
assert abs(heavier - flips[past][0]) < 0.02, "the ridge is not what holds the moves back"
claim("share of discs that are flipped", n_flipped, text=0.33, within=0.02)

# %% [markdown]
# ### 4. Change the board in its mind
#
# A probe reads. Does the *model* read the same thing? Lesson 2.1 asked this of a truth direction. Here the answer
# is sharper, because you know exactly what should follow: turn one disc over in the model's mind, and other moves
# become legal.
#
# The probe gives three scores for each square. The difference of its weights for *mine* and *yours* is a
# direction, and `resid @ direction + bias` is positive where *mine* scores higher than *yours*. To flip the square, move the
# residual stream along the direction until the score is the opposite, and leave what stands at right angles to it
# alone. (That is not "leave the other squares alone": their directions are not at right angles to this one.)
#
# ### Exercise 4 · flip a square (15 minutes, medium)


# %% tags=["exercise:utils.reading.world.flip_along"]
def flip_along(
    resid: Float[Tensor, "example d_model"],
    direction: Float[Tensor, "example d_model"],
    bias: Float[Tensor, " example"],
    scale: float,
) -> Float[Tensor, "example d_model"]:
    """`resid` moved along `direction` until its score is `-scale` times what it was.

    The score of an example is `resid @ direction + bias`. What stands at right angles to the
    direction stays.

    Args:
        direction: one for each example, of any length.
        scale: 1 mirrors the score; more overshoots.
    """
    ### BEGIN SOLUTION
    score = (resid * direction).sum(-1) + bias
    step = (1 + scale) * score / direction.pow(2).sum(-1)
    return resid - step[:, None] * direction
    ### END SOLUTION


# %% tags=["check"]
flip_along = lesson_23.check_flip_along(flip_along)

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
# count those that are not legal there, and those legal ones that are missing. (As N are chosen and N are legal,
# each wrong choice leaves one legal square out: the two counts are always equal, and an error counts twice. That
# is the papers' measure.)
#
# ### Exercise 5 · legal-move errors (10 minutes, medium)


# %% tags=["exercise:utils.reading.world.legal_move_errors"]
def legal_move_errors(
    logits: Float[Tensor, "example square"], legal: Bool[Tensor, "example square"]
) -> Float[Tensor, " example"]:
    """Wrong squares among the N likeliest, plus legal ones missing from them.

    Source: Li et al., 2022 (arXiv 2210.13382).

    Args:
        legal: N is the number of legal moves of each example.
    """
    ### BEGIN SOLUTION
    rank = logits.argsort(-1, descending=True).argsort(-1)
    chosen = rank < legal.sum(-1, keepdim=True)
    return (chosen != legal).sum(-1).float()
    ### END SOLUTION


# %% tags=["check"]
legal_move_errors = lesson_23.check_legal_move_errors(legal_move_errors)

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
# moves. (Such a board may be one that no game can reach.) We edit that position only, after one layer or
# after several, with each layer's own probe, and read the model's prediction there.
#
# Which layers, and what scale? That is chosen on the games for choosing. The controls, on the test games:
#
# - a **random direction**, with steps as long as the probe's, five draws;
# - the same step in the **opposite** sense: it makes the square more of what it is;
# - the flip of **another** occupied square: as good a direction, for the wrong square. Then the model should play
#   on a *third* board, and you can score it there;
# - the same step **after the last layer**, where nothing can be computed from it any more. It shows how much the
#   step writes into the prediction directly.


# %%
def edits_in(start: int, n_games: int, *, n: int, seed: int) -> tuple:
    """Edits in some of the games, the games, and what the model has read in each."""
    generator = torch.Generator().manual_seed(seed)
    some = othello.replay(games[start : start + n_games])
    edits = world.draw_edits(some, n=n, generator=generator)
    return edits, some, tokens[start + edits.game.to(device)]


def edited_logits(drawn, layers, scale: float, how: str = "flip", draw: int = 0) -> torch.Tensor:
    """The model's logits, [edit, square], after such a change in each of the layers."""
    edits, _, moves_read = drawn
    return world.edited_logits(
        model,
        moves_read,
        edits,
        probes={layer: probes["mine/yours", "trained", f"after block {layer}"] for layer in layers},
        scale=scale,
        how=how,
        generator=torch.Generator().manual_seed(4002 + draw),
    )


def errors(drawn, layers, scale: float, how: str = "flip") -> torch.Tensor:
    """Legal-move errors on the edited boards, [edit]; random directions: the mean of five draws."""
    found = [
        legal_move_errors(edited_logits(drawn, layers, scale, how, draw), drawn[0].legal)
        for draw in range(5 if how == "random" else 1)
    ]
    return torch.stack(found).mean(0)


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
edits, played_test, moves_read = drawn
unedited = edited_logits(drawn, [], 0.0)
before = legal_move_errors(unedited, edits.legal)
true_legal = played_test.legal[edits.game, edits.time]
floor = legal_move_errors(unedited, true_legal)  # on the boards as they really are
HOWS = {
    "flip": "flip this square",
    "another square": "flip another square",
    "opposite": "the opposite step",
    "random": "random direction",
}
SCALES = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)
dose = {how: [errors(drawn, LAYERS, scale, how) for scale in SCALES] for how in HOWS}
plots.lines(
    {name: [values.mean().item() for values in dose[how]] for how, name in HOWS.items()}
    | {"no edit, unedited board": [floor.mean().item()] * len(SCALES)},
    at=SCALES,
    title="Steps along the probe bring the moves of the edited board; the controls do not",
    x="scale (0: to the line between mine and yours; 1: as far beyond)",
    y="errors on the edited board",
)

# %%
final = {how: dose[how][SCALES.index(SCALE)] for how in HOWS}
rows_of = torch.arange(len(edits.time))
# The same step, but after the last layer.
resid = seen[PLACE][N_FIT + N_CHOOSE + edits.game, edits.time]
probe = probes["mine/yours", "trained", PLACE]
step = world.flipper(probe, edits.square, scale=SCALE)(resid) - resid
late_hook = f"blocks.{cfg.n_layers - 1}.hook_resid_post"
direct = world.logits_after(
    model, moves_read, edits.time.to(device), {late_hook: lambda x: x + step.to(x)}
)
final["direct"] = legal_move_errors(direct.cpu(), edits.legal)
# Another square, scored on the board on which that square is flipped, where it matters there.
_, third = world.legal_after_flip(played_test, edits.game, edits.time, edits.another)
matters = (third != true_legal).any(-1) & third.any(-1)
moved = edited_logits(drawn, LAYERS, SCALE, "another square")
third_before = legal_move_errors(unedited, third)[matters]
third_after = legal_move_errors(moved, third)[matters]
# What the probe says of all squares, before and after the step.
says = [world.board_states(probe(x)) for x in (resid, resid + step)]
changed = says[0] != says[1]


def edit_interval(values: torch.Tensor, which: torch.Tensor = rows_of) -> tuple:
    """Mean over edits, and its 95% interval over games."""
    return values.mean().item(), *bootstrap(values, groups=edits.game[which].tolist())


edited = {name: edit_interval(values) for name, values in final.items()}
names = HOWS | {"direct": "the same step after the last layer"}
cells = {
    "nothing changed": (before, rows_of),
    **{name: (final[how], rows_of) for how, name in names.items()},
    "another square's board: nothing changed": (third_before, matters),
    "another square's board: flip that square": (third_after, matters),
    "unedited board: nothing changed": (floor, rows_of),
}
plots.table(
    [
        (name, f"{mean:.2f}", f"{low:.2f} to {high:.2f}")
        for name, (values, which) in cells.items()
        for mean, low, high in [edit_interval(values, which)]
    ],
    columns=["what was done to the model", "errors", "95% interval over games"],
)

# %% [markdown]
# Before the edit the model makes **2.26** errors on the edited boards: it plays on the real ones. After the flip
# it makes **0.70** (**0.57** to **0.83** over games). A share of **0.15** of the edits is without any
# error before, and **0.68** after. Some of the errors that remain are the model's own: on boards that nobody edited
# it makes **0.18**.
#
# The controls: steps of the same length in random directions leave **2.69**, the opposite step **2.70**, the flip
# of another square **2.78**. And that last one is no mere disturbance. Scored on *its* board, where that one
# disc is turned, the errors go from **2.38** to **0.65**. This is the sharpest of the controls: each square's
# direction brings that square's board.
#
# How much is a direct write into the prediction? The same step after the last layer leaves **1.70**. So about a
# third of the effect can be a direct write. The rest needs the later layers.
#
# Four things to know about this step. It was the best of 60 settings, on other games, and it *overshoots*: the
# plain mirror, scale 1, leaves **1.36**. It is long, **0.44** of the residual stream's own length. And the probe
# now also reads **4.3** *other* squares differently, on average. And it works less well late: after 16 moves or
# more the errors go from **1.81** to **0.88**, earlier from **2.55** to **0.58**.
#
# So the model does not only hold the board. It *uses* it, along the probe's directions, to choose its moves.

# %% tags=["numbers"]
claim("errors, nothing changed", before.mean(), text=2.26, within=0.1)
claim("errors after the flip", edited["flip"][0], text=0.70, within=0.1)
claim("errors after the flip, low", edited["flip"][1], text=0.57, within=0.1)
claim("errors after the flip, high", edited["flip"][2], text=0.83, within=0.12)
claim("no error, before", (before == 0).double().mean(), text=0.15, within=0.04)
claim("no error, after", (final["flip"] == 0).double().mean(), text=0.68, within=0.05)
claim("errors, unedited boards", floor.mean(), text=0.18, within=0.05)
claim("errors, random directions", edited["random"][0], text=2.69, within=0.15)
claim("errors, opposite step", edited["opposite"][0], text=2.70, within=0.15)
claim("errors, another square", edited["another square"][0], text=2.78, within=0.15)
claim("third board, before", third_before.mean(), text=2.38, within=0.12)
claim("third board, after", third_after.mean(), text=0.65, within=0.12)
claim("errors, step after the last layer", edited["direct"][0], text=1.70, within=0.15)
by_write = (before.mean() - final["direct"].mean()) / (before.mean() - final["flip"].mean())
assert 0.25 < by_write < 0.45, "about a third"
assert len(tried) == 60 and list(LAYERS) == [int(PLACE[-1])], "one layer, the probe's best"
claim("errors, plain mirror", dose["flip"][SCALES.index(1.0)].mean(), text=1.36, within=0.12)
long = (step.norm(dim=-1) / resid.norm(dim=-1)).mean()
claim("length of the step", long, text=0.44, within=0.04)
others = changed.sum(-1) - changed[rows_of, edits.square].long()
claim("other squares read differently", others.double().mean(), text=4.3, within=0.4)
late = edits.time >= 16
claim("late, before", before[late].mean(), text=1.81, within=0.1)
claim("late, after", final["flip"][late].mean(), text=0.88, within=0.12)
claim("early, before", before[~late].mean(), text=2.55, within=0.1)
claim("early, after", final["flip"][~late].mean(), text=0.58, within=0.12)
worst_control = min(edited[how][1] for how in ("random", "opposite", "another square"))
assert edited["flip"][2] < edited["direct"][1] and edited["direct"][2] < worst_control

# %% [markdown]
# ### 5. What this does not show
#
# - *That the model computes the board as you would.* It may keep thirty-six separate little rules that agree with
#   a board. A probe that reads the board cannot tell the two apart, and random play visits only some boards.
# - *That the model has no other idea of the board.* The edit hits what the later layers read; what else they read
#   we did not ask.
# - *That this happens in language models.* Here every move depends on the board, and the training data are
#   nothing but moves. It is the best case for a world model.
# - *That it holds for other models.* One model, one seed, one game, and one untrained control. And its training
#   was kinder than the papers': it was graded on all legal moves at each position. (One trained on single
#   games, and stopped early, plays less well; the same probes find the board in it too, less exactly. The numbers
#   are in `data/othello/README.md`.)

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
# The process is one tensor: `T[a, i, j]` is the probability, in state `i`, that the next state is `j` and that `j`
# then emits token `a`.
#
# ### Exercise 6 · one more token (15 minutes, medium)


# %% tags=["exercise:data.beliefs.task.belief_update"]
def belief_update(
    belief: Float[Tensor, "batch state"],
    token: Int[Tensor, " batch"],
    T: Float[Tensor, "token state next"],
) -> Float[Tensor, "batch state"]:
    """The ideal observer's belief after one more token.

    Args:
        belief: the belief before the token; rows sum to 1.
        token: ids; each row has its own.
        T: `T[a, i, j]` is the probability that state i emits token a and moves to state j.
    """
    ### BEGIN SOLUTION
    joint = torch.einsum("bi,bij->bj", belief, T[token])
    return joint / joint.sum(-1, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
belief_update = lesson_23.check_belief_update(belief_update)

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
# tokens. What they believe is what you get by starting the update `k` tokens ago, from the belief that
# each state is equally likely.

# %%
from data.beliefs import make as beliefs_recipe
from data.beliefs import task as beliefs_task
from utils.reading import beliefs

MEMORIES = (1, 2, 3, 4, 5, 6)


def study(process: str) -> tuple:
    """A process, its trained model and three untrained ones, and two halves of different sequences."""
    T, settings = beliefs_task.PROCESSES[process](), beliefs_recipe.Recipe()
    watchers = {"trained": load(f"beliefs/{process}", device="cpu")} | {
        f"untrained {i}": beliefs_recipe.new_model(settings, n_tokens=len(T), seed=1000 + i)
        for i in range(3)
    }
    halves = beliefs_recipe.different_sequences(
        T, 8000, length=settings.n_ctx, generator=torch.Generator().manual_seed(4005)
    )
    return T, watchers, halves


mess3, mess3_models, mess3_halves = study("mess3")
mess3_excess = beliefs.excess_by_observer(
    mess3, mess3_models, memories=MEMORIES, generator=torch.Generator().manual_seed(4006)
)
plots.table(
    [(name, f"{value:.2f}") for name, value in mess3_excess.items()],
    columns=["who predicts (after 16 tokens)", "millinats above the ideal observer"],
)

# %% [markdown]
# The trained model is **0.53** millinats above the ideal observer, the untrained ones **344** and more. So it
# predicts almost perfectly.
#
# But see who else does. An observer who remembers three tokens is at **4.5**, with five at **0.30**, closer than the model. The process
# forgets quickly, and so a short memory goes a long way. Keep this in mind for the next picture.

# %% tags=["numbers"]
claim("trained, millinats", mess3_excess["trained"], text=0.53, within=0.15)
lowest = min(mess3_excess[f"untrained {i}"] for i in range(3))
claim("untrained, millinats", lowest, text=344, within=40)
claim("last 3, millinats", mess3_excess["last 3 tokens"], text=4.5, within=0.5)
claim("last 5, millinats", mess3_excess["last 5 tokens"], text=0.30, within=0.08)

# %% [markdown]
# ### 8. The triangle in the residual stream
#
# The same fit once more: from the residual stream after the last layer, at the last position, to the belief.
# Half of the sequences are for fitting, the other half for the picture. No two sequences are alike, so that none
# of the second half is among the first. (So a frequent sequence counts no more than a rare one.)
#
# *Predict first:* what will the same regression give on an untrained model?
#
# One number will be R2, the share of the beliefs' variance that a prediction explains. Whoever looks
# at the last three tokens explains much of that variance. So there is a second number. For it *every* probe is told the
# last three tokens, as extra features, one for each of their combinations. Then the question is how much it
# explains of the variance that is left: *among* sequences with the same last three tokens. A memory of three has
# about 0 there. (On new sequences it can fall a little below.)
#
# And as a control, *three* untrained models. Of their nine layers you will see the one with the best second
# number: chosen on the very test sequences, which favours the control.


# %%
def features_of(T: torch.Tensor, watchers: dict, halves: tuple) -> dict:
    """What the belief is read from: name -> features of both halves."""
    at = {
        name: [beliefs_recipe.residuals(each, half) for half in halves]
        for name, each in watchers.items()
    }
    found = {
        f"{name}, after block {layer}": [each[f"after block {layer}"] for each in both]
        for name, both in at.items()
        for layer in range(3)
    }
    found["trained"] = found["trained, after block 2"]
    found["output"] = [each["output"] for each in at["trained"]]
    found["logits"] = [each["output"].log() for each in at["trained"]]
    one_hot = torch.nn.functional.one_hot
    if len(T) == 2:  # one number: any function of it, nearly, is a linear map of 60 equal bins
        tick = [each["output"][:, 1].double() for each in at["trained"]]
        edges = tick[0].quantile(torch.linspace(0, 1, 61, dtype=torch.float64))[1:-1]
        found["bins"] = [one_hot(torch.bucketize(values, edges), 60) for values in tick]
    found["tokens"] = [one_hot(tokens, len(T)).flatten(1) for tokens in halves]
    found["pairs"] = [beliefs.token_pairs(tokens, 8, n_tokens=len(T)) for tokens in halves]
    for k in MEMORIES:
        found[f"last {k}"] = [beliefs_task.remembered(tokens, k, T) for tokens in halves]
    return found


def with_best_untrained(found: dict) -> dict:
    """The readings, and under "untrained" the best of three untrained models and three layers."""
    of_untrained = [name for name in found if name.startswith("untrained")]
    return found | {"untrained": found[max(of_untrained, key=lambda name: found[name].beyond)]}


mess3_features = features_of(mess3, mess3_models, mess3_halves)
mess3_read = with_best_untrained(beliefs.read_beliefs(mess3_features, mess3_halves, mess3))
mess3_truth = beliefs_task.beliefs(mess3_halves[1], mess3)[:, -1]
some = slice(0, 2000)
figures.simplex(
    {
        "what an ideal observer believes": beliefs.simplex_xy(mess3_truth[some]),
        "regression, trained model": beliefs.simplex_xy(mess3_read["trained"].predicted[some]),
        "regression, untrained model": beliefs.simplex_xy(mess3_read["untrained"].predicted[some]),
    },
    mess3_truth[some],
    title="The trained model's residual stream holds the triangle of beliefs",
)

# %% [markdown]
# (Every dot is one sequence of 16 tokens, in the same colour in all three: the belief mixes blue, orange and
# black. Predictions outside the frame are cut off.)
#
# The picture is the paper's, and it is convincing. How much of it is news?

# %%
NAMES = {
    "trained": "residual stream, trained model",
    "untrained": "residual stream, best of the untrained",
    "output": "next-token probabilities of the trained model",
    "logits": "their logarithms (its logits)",
    "bins": "any function of them (60 bins)",
    "tokens": "the 16 tokens, one-hot",
    "pairs": "the last 8 tokens and their products by twos",
    "last 1": "an observer who remembers 1 token",
    "last 3": "an observer who remembers 3 tokens",
    "last 5": "an observer who remembers 5 tokens",
    "last 6": "an observer who remembers 6 tokens",
}


def show(found: dict):
    """The table of both numbers."""
    return plots.table(
        [
            (title, f"{found[name].r2:.3f}", f"{found[name].beyond:.2f}")
            for name, title in NAMES.items()
            if name in found
        ],
        columns=["belief predicted from", "R2", "R2 beyond the last 3 tokens, told to all"],
    )


show(mess3_read)

# %% [markdown]
# Look at R2 first, and begin with the observers who forget. One token of memory gives an R2 of **0.78**, and three
# **0.984**. An *untrained* transformer, which only mixes its tokens at random, gives **0.94**. So "R2 above **0.94**" would
# be no evidence for anything. The trained model's **0.998** is not much higher. But beyond the last three tokens
# it explains **0.90**, the untrained model **0.31**, the tokens themselves **0.35**.
#
# Still, an observer who remembers five tokens does a little better (**0.999**). The model's error is about that
# of such an observer; it does use older tokens, and loses at least as much elsewhere. (What the older tokens
# change in the ideal belief, its reading follows at a slope of **0.69**: 0 would be not at all, 1 all the way.)
# And a high R2 does not show that the model keeps a belief and updates it token by token: it could look at the last
# tokens afresh each time.
#
# There is one more way to get this picture. From the *next-token probabilities* of the model the regression is as
# good: **0.998**, and **0.89** beyond three tokens. It must be. For Mess3 the ideal next-token probabilities are a
# linear image of the belief, three numbers from three numbers, and the map can be inverted. So **a model that
# predicts Mess3 well must hold the triangle, at the latest in its output**. To be exact, the residual stream
# after the final norm must hold the logarithms of those probabilities, which bend the triangle: a regression on
# them gives **0.990**. So nearly all of the picture follows from the gate, and only its straightness is the
# model's own.
#
# So Mess3 cannot show what is most interesting in the paper: that the residual stream holds *more* than the next
# token needs.

# %% tags=["numbers"]
claim("R2, memory of 1", mess3_read["last 1"].r2, text=0.78, within=0.02)
claim("R2, memory of 3", mess3_read["last 3"].r2, text=0.984, within=0.004)
claim("R2, untrained", mess3_read["untrained"].r2, text=0.94, within=0.02)
claim("R2, trained", mess3_read["trained"].r2, text=0.998, within=0.001)
claim("R2, memory of 5", mess3_read["last 5"].r2, text=0.999, within=0.0006)
claim("beyond 3 tokens, trained", mess3_read["trained"].beyond, text=0.90, within=0.03)
claim("beyond 3 tokens, untrained", mess3_read["untrained"].beyond, text=0.31, within=0.05)
claim("beyond 3 tokens, tokens", mess3_read["tokens"].beyond, text=0.35, within=0.05)
claim("R2, logits", mess3_read["logits"].r2, text=0.990, within=0.002)
claim("R2, output", mess3_read["output"].r2, text=0.998, within=0.002)
claim("beyond 3 tokens, output", mess3_read["output"].beyond, text=0.89, within=0.03)
assert abs(mess3_read["last 3"].beyond) < 0.1, "a memory of three has about 0"
assert mess3_read["last 4"].r2 < mess3_read["trained"].r2 < mess3_read["last 5"].r2
short = beliefs_task.remembered(mess3_halves[1], 5, mess3)
slope = beliefs.slope_beyond(mess3_read["trained"].predicted, mess3_truth, short)
claim("slope beyond 5 tokens", slope, text=0.69, within=0.1)
assert torch.linalg.matrix_rank(mess3.sum(-1)) == 3, "the map can be inverted"

# %% [markdown]
# ### 9. A process whose next token says too little
#
# For that question you need a process in which two beliefs can differ and predict the *same* next token. The
# paper takes one called RRXOR. Ours is simpler: a **noisy clock**. Three states follow each other in a ring, `0`
# to `1` to `2` to `0`. Each step the clock goes on with probability `0.8` and rests with `0.2`. In state 0 it
# emits a tick with probability `0.85`, in the other two states with `0.15`.
#
# There are two tokens only, so the next-token prediction is *one* number, and the belief is two. States 1 and 2
# emit alike, but they are not the same state: from 2 the tick comes sooner. A model that predicts the next token perfectly may
# forget the difference as soon as it has made its prediction. *Predict first:* does it?

# %%
clock, clock_models, clock_halves = study("clock")
clock_excess = beliefs.excess_by_observer(
    clock, clock_models, memories=MEMORIES, generator=torch.Generator().manual_seed(4006)
)
clock_features = features_of(clock, clock_models, clock_halves)
clock_read = with_best_untrained(beliefs.read_beliefs(clock_features, clock_halves, clock))
clock_truth = beliefs_task.beliefs(clock_halves[1], clock)[:, -1]
print({name: round(value, 2) for name, value in clock_excess.items()})
show(clock_read)

# %%
figures.simplex(
    {
        "what an ideal observer believes": beliefs.simplex_xy(clock_truth[some]),
        "regression, residual stream": beliefs.simplex_xy(clock_read["trained"].predicted[some]),
        "regression, next-token probabilities": beliefs.simplex_xy(
            clock_read["output"].predicted[some]
        ),
    },
    clock_truth[some],
    title="The clock: the residual stream holds the plane of beliefs, the prediction a line of it",
)

# %% [markdown]
# The gate first: **0.68** millinats above the ideal observer. Its next-token probabilities explain **0.38** of
# the belief, linearly. Any other function of them comes to hardly more than **0.70**: put them in 60 bins and take
# each bin's mean belief. The residual stream explains **0.993** (interval over sequences: **0.993** to
# **0.994**). So no, the difference is not forgotten: the last layer holds much that this prediction does not
# need. (No later position can read the last layer. But most of this already stands in the layer below, which later
# positions do read: see "after block 1" in `data/beliefs/seeds.json`.)
#
# Is that the belief, or just the tokens, which travel along in the residual stream anyway? The best untrained
# model holds them too, and reaches **0.96**! That is why R2 alone is not the point. Beyond the last three tokens,
# told to all, the trained model explains **0.93**, the untrained **0.54**, a linear map of the 16 tokens
# **0.41**.
#
# To beat a linear map of tokens is a low bar. A stronger one: the last eight tokens *and all their products by
# twos* come to **0.76**. And there are the ideal observers who forget: a memory of five has **0.82**, of six
# **0.92**. By R2 the model lies between these two, by the second number beside the memory of six. So training has
# put something there that is close to the belief, closer than such simple functions of the tokens. As for Mess3,
# it does use tokens older than five (slope **0.83**), and loses elsewhere what an ideal observer would not.
#
# Two more models of each process were trained, and on other sequences (`data/beliefs/seeds.json`) they tell the
# same story: beyond three tokens the clock's three lie between **0.90** and **0.92**, three untrained ones at
# **0.52** at best.


# %% tags=["numbers"]
def r2_interval(predicted: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """95% interval of R2, over sequences."""
    missed = (predicted - truth).pow(2).sum(-1)
    missed = missed / (truth - truth.mean(0)).pow(2).sum(-1).mean()
    low, high = bootstrap(missed)
    return 1 - high, 1 - low


claim("clock, millinats", clock_excess["trained"], text=0.68, within=0.15)
claim("clock, output", clock_read["output"].r2, text=0.38, within=0.03)
claim("clock, output in bins", clock_read["bins"].r2, text=0.70, within=0.03)
claim("clock, trained", clock_read["trained"].r2, text=0.993, within=0.003)
low, high = r2_interval(clock_read["trained"].predicted, clock_truth)
claim("clock, trained, low", low, text=0.993, within=0.003)
claim("clock, trained, high", high, text=0.994, within=0.003)
claim("clock, untrained", clock_read["untrained"].r2, text=0.96, within=0.02)
claim("clock, trained, beyond 3", clock_read["trained"].beyond, text=0.93, within=0.03)
claim("clock, untrained, beyond 3", clock_read["untrained"].beyond, text=0.54, within=0.05)
claim("clock, tokens, beyond 3", clock_read["tokens"].beyond, text=0.41, within=0.05)
claim("clock, pairs, beyond 3", clock_read["pairs"].beyond, text=0.76, within=0.05)
claim("clock, memory of 5, beyond 3", clock_read["last 5"].beyond, text=0.82, within=0.03)
claim("clock, memory of 6, beyond 3", clock_read["last 6"].beyond, text=0.92, within=0.02)
assert clock_read["last 5"].r2 < clock_read["trained"].r2 < clock_read["last 6"].r2
assert abs(clock_read["trained"].beyond - clock_read["last 6"].beyond) < 0.03, "beside it"
slope = beliefs.slope_beyond(
    clock_read["trained"].predicted, clock_truth, beliefs_task.remembered(clock_halves[1], 5, clock)
)
claim("clock, slope beyond 5 tokens", slope, text=0.83, within=0.1)
kept = json.loads((root / "data" / "beliefs" / "seeds.json").read_text())
of_seeds = [kept[f"clock, seed {seed}"] for seed in (0, 1, 2)]
over_seeds = [each["trained"]["after block 2"][1] for each in of_seeds]
best_raw = max(
    each["untrained"][f"after block {layer}"][1] for each in of_seeds for layer in range(3)
)
claim("clock, beyond 3, lowest seed", min(over_seeds), text=0.90, within=0.005)
claim("clock, beyond 3, highest seed", max(over_seeds), text=0.92, within=0.005)
claim("clock, beyond 3, untrained seeds", best_raw, text=0.52, within=0.005)
assert torch.linalg.matrix_rank(clock.sum(-1)) == 2

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "probability on legal moves",
            f"{gate[0]:.3f}",
            f"{mass['untrained'][test].mean():.2f} untrained; "
            f"{mass['knows the empty squares'][test].mean():.2f} empty squares",
            "",
        ),
        (
            "likeliest square is legal",
            f"{top[test].mean():.3f}",
            "",
            "about 99.99% (8 by 8)",
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
            "mine/yours probe, flipped discs",
            f"{flips[mine][0]:.2f}",
            f"{flips[past][0]:.2f} moves themselves; {flips[raw][0]:.2f} untrained",
            "",
        ),
        (
            "mine/yours probe, unflipped discs",
            f"{on_unflipped[mine[1]]:.2f}",
            f"{on_unflipped[past[1]]:.2f} moves themselves; {on_unflipped[raw[1]]:.2f} untrained",
            "",
        ),
        (
            "legal-move errors after a flip",
            f"{before.mean():.2f} to {edited['flip'][0]:.2f}",
            f"{edited['random'][0]:.2f} random; another square {edited['another square'][0]:.2f}, "
            f"on its own board {third_after.mean():.2f}",
            "2.72 to 0.10 (8 by 8)",
        ),
        (
            "Mess3 beliefs, R2",
            f"{mess3_read['trained'].r2:.3f}",
            f"{mess3_read['untrained'].r2:.2f} untrained; {mess3_read['output'].r2:.3f} from "
            "the output",
            "the same picture (Shai et al.)",
        ),
        (
            "clock beliefs beyond the last 3 tokens, R2",
            f"{clock_read['trained'].beyond:.2f}",
            f"{clock_read['untrained'].beyond:.2f} untrained; {clock_read['pairs'].beyond:.2f} "
            "products of tokens",
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
# - Scoring all squares only: empty ones, and unflipped ones for whoever knows the moves, hide the difference.
# - Choosing squares by the answer, and reporting only the favourable half.
# - Calling a high R2 evidence, without the untrained model beside it, at *its* best layer.
# - Telling one predictor more than another: for "beyond three tokens" all must be told the three.
# - Forgetting to divide by the sum in Bayes' rule: beliefs shrink with every token.
#
# ## Where this breaks
#
# One small board, random games, one trained model and edited boards that no game need reach. In part B a short
# memory explains most of the variance, for both processes.
#
# ## Further reading
#
# - Li et al. (2022), *Emergent World Representations*, arXiv 2210.13382
# - Nanda, Lee and Wattenberg (2023), *Emergent Linear Representations in World Models of Self-Supervised Sequence
#   Models*, arXiv 2309.00941
# - Shai et al. (2024), *Transformers Represent Belief State Geometry in their Residual Stream*, arXiv 2405.15943
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.2 · Probing without labels](22_probing_without_labels.ipynb) | **Next:** [3.1 · Steering vectors, and what they cost](31_steering_vectors.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/31_steering_vectors.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("23")
