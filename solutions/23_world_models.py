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
# # 2.3 · World models: a board that the model was never shown
#
# [![Open lesson 2.3 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/23_world_models.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.2 · Probing without labels](22_probing_without_labels.ipynb) | **Next:** [2.4 · Belief states](24_belief_states.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/24_belief_states.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. read a world that you know exactly from a model's residual stream, and say which part of that reading needs no model at all;
# 2. write an edit of that world, predict what should follow, and build the controls for it;
# 3. test whether the model's moves depend on the board alone.
#
# **Time** one hour for the core, and 80 minutes for *Going deeper*. **Needs** lesson 2.1: probes and their controls; 1.4: hooks.
# **Runs** in about a minute and a half on a laptop's processor.
#
# **First, play.** The next cell but one shows three boards of Othello, with black to move. On the left is the board of a game. In the middle is what a linear probe reads from the residual stream of a transformer, which was given nothing but the list of moves.
# On the right **one disc was flipped inside the model** (the dot); the shade is where it would move now. Choose another disc. Do the model's moves follow?

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

# %% tags=["folded"]
# The imports, the model, 900 games, what the model's streams are; and the poster.
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.othello import make as othello_recipe
from data.othello import task as othello
from utils import plots
from utils.checks import lesson_23
from utils.checks.predict import outcome, predict
from utils.lesson import claim
from utils.models import load
from utils.reading import figures, world
from utils.reading.linear import Affine, ridge
from utils.reading.world import flip_direction
from utils.stats import bootstrap

model = load("othello/trained")
untrained = othello_recipe.new_model(othello_recipe.Recipe(), seed=1000).eval()
untrained.to(model.cfg.device, print_details=False)
device, name_of = model.cfg.device, othello.square_name


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def level(value: float, below: Mapping[str, float]) -> str:
    """The first choice whose bound a number does not pass."""
    return next((name for name, top in below.items() if value < top), list(below)[-1])


# 900 new games: 600 to fit probes on, 100 to choose layers and settings on, 200 to test on.
games = othello.random_games(900, generator=seeded(4001))
played = othello.replay(games)  # boards, legal moves and who is to move, before each move
tokens = othello.to_tokens(games).to(device)  # BOS, then the moves
n_time = tokens.shape[1]
number = torch.arange(len(games))[:, None].expand(-1, n_time)  # which game a position is from
going = played.going[:, :n_time] & (torch.arange(n_time) > 0)  # after at least one move
fit, test = going & (number < 600), going & (number >= 700)
choose = going & ~fit & ~test
logits, resid = world.streams(model, tokens)  # resid: [layer game time d_model]

board, LAYER = played.board[:, :n_time], 4
mine = world.relative_board(played.board)[:, :n_time]  # as the player to move sees it
probes = {layer: world.board_probe(resid[layer], mine, fit) for layer in range(1, 6)}

GAME, TIME = 700, 14  # a game for testing, after 14 moves
discs = played.board[GAME, TIME].nonzero()[:, 0]
here = torch.tensor([GAME, TIME]).expand(len(discs), 2).unbind(1)
_, legal_then = world.legal_after_flip(played, *here, discs)
discs = discs[(legal_then != played.legal[GAME, TIME]).any(-1)].tolist()  # those that matter


def line_of(probe: Affine, square: Tensor) -> tuple[Tensor, Tensor]:
    """The direction and the bias of a square's score, for each example."""
    return tuple(each.to(device) for each in flip_direction(probe, square))


def after_flip(game: int, time: int, square) -> tuple[Tensor, Tensor, Tensor]:
    """The board with one disc flipped, the legal moves there, the model's moves after the edit."""
    where = [torch.tensor([int(each)]) for each in (game, time, square)]
    flipped_board, legal = world.legal_after_flip(played, *where)
    line = {LAYER: line_of(probes[LAYER], where[2])}
    new = world.flip_discs(model, tokens[[game]], where[1].to(device), line, scale=4.0)
    return flipped_board[0], legal[0], new[0].softmax(-1).cpu()


def poster(square: int):
    """The true board, the board that the probe reads, and the edited board with the moves."""
    new, legal, moves = after_flip(GAME, TIME, square)
    read = world.board_states(probes[LAYER](resid[LAYER, GAME, [TIME]]))[0] * played.player[TIME]
    names = "the board", "as the probe reads it", f"{name_of(square)} flipped"
    before = played.legal[GAME, TIME]
    squares = [each.nonzero()[:, 0].tolist() for each in (before, legal & before, legal & ~before)]
    return figures.boards(
        dict(zip(names, (played.board[GAME, TIME], read, new), strict=True)),
        shade={names[0]: logits[GAME, TIME].softmax(-1).tolist(), names[2]: moves.tolist()},
        marked={names[0]: squares[0], names[2]: squares[1]},
        new={names[2]: squares[2]},
        last={names[2]: square},
        title="Black to move: where does the model move?<br><sup>Shade: its probability. "
        "Diamonds: legal moves, orange where the flip made them legal</sup>",
    )


figures.slider(
    lambda i: poster(discs[i]),
    n=len(discs),
    label="flip",
    at=discs.index(othello.SIZE * 2 + 3),  # d3
    names=[name_of(square) for square in discs],
)

# %% [markdown]
# The game was chosen because the edit works well in it. You will measure how well it works on average, and write the edit yourself.
#
# ## 1. The game and the model
#
# Two players, black and white, put discs on a board in turn, here of 6 by 6 squares. A move must enclose a straight row of the other's discs between the new disc and another of one's own; all that are enclosed are **flipped** to one's own colour. Black begins, and a game ends when the player to move has no legal move.
#
# The model has six blocks and a residual stream of 128 numbers. It reads moves, one token each: a square's token is its number, row by row (a1 is 0, f6 is 35), after a BOS token, 36. It returns 36 logits, one a square. It was trained on random games, and graded at each position on the whole *set* of legal moves there.
# That is more supervision about the rules than single games give. It was never shown a board, a colour or a row.
#
# The cell above made `tokens` [game time] for 900 new games, `resid` [layer game time d_model], the stream *before* each block, and `played`, with boards and legal moves. `fit`, `choose` and `test` are masks [game time]: 600 games to fit probes on, 100 to choose settings on, and 200 to test on.
#
# First the capability gate: how much of its probability falls on legal moves, on the test games?

# %%
legal, empty = played.legal[:, :n_time], board == 0
with torch.no_grad():
    untrained_logits, untrained_resid = world.streams(untrained, tokens)
mass = {
    "the model": othello.legal_mass(logits, legal),
    "an untrained model": othello.legal_mass(untrained_logits, legal),
    "any empty square, all alike": legal.sum(-1) / empty.sum(-1),
}
groups = number[test].tolist()
gate = {
    name: (each[test].mean().item(), *bootstrap(each[test], groups=groups))
    for name, each in mass.items()
}
plots.table(
    [(name, "{:.3f} ({:.3f} to {:.3f})".format(*each)) for name, each in gate.items()],
    columns=["who plays", "probability on legal moves (95% interval over games)"],
)

# %% [markdown]
# The model plays by the rules: **0.960** of its probability falls on legal moves. Memory of whole games does not explain it: of openings of 12 moves, next to none stood in the training games (`data/othello/log.json`). To know which moves are legal, *you* would keep a board in your head. Does the model?

# %% tags=["numbers"]
claim("legal mass", gate["the model"][0], within=0.004, text=0.960)
assert gate["the model"][1] > 0.95, "the gate: without it there is nothing to probe"

# %% [markdown]
# ## 2. Which board?
#
# Li and colleagues (arXiv 2210.13382) probed a model of the 8 by 8 game for *black, white, empty*, Nanda and colleagues (arXiv 2309.00941) for *mine, yours, empty*, as the player to move sees it.
# `board` holds the first (1, -1, 0), `mine` the second. At position t the model has read t moves. Which of the two can a *linear* probe read?
#
# A probe can be right without any board in the model. So it is scored beside three controls:
#
# - **the moves themselves**: a linear probe on the list of moves, a one-hot of the square for each number of steps ago, with nine times as many features as the stream has, and no model;
# - **an untrained model**, at its best layer;
# - **who played there**: the player who put the disc on the square, as if no disc were ever flipped.
#
# And not all squares tell the same. **Flipped** discs now have the other colour than the player who put them there. A reader that knows only who played there is wrong on each of them. But one that says "flipped" too often gains on these and loses on the **unflipped** ones. So look at both.
#
# ### Exercise 1 · fit a probe, read the board (10 minutes, medium)
#
# The targets have shape [n, 3 * square]: for each square three numbers, 1 for the true state and 0 for the other two. `ridge(x, y, penalty=1e-3)` is given: it fits an affine map from `x` [n feature] to `y` [n target], and returns it; call it on other rows to get its predictions. (The check fits with this penalty, too.)


# %% tags=["exercise:utils.reading.world.read_boards"]
def read_boards(
    resid: Float[Tensor, "game time feature"],
    board: Int[Tensor, "game time square"],
    fit: Bool[Tensor, "game time"],
) -> Int[Tensor, "game time square"]:
    """What a linear probe reads of every square, at every position.

    For each square the probe gives three scores, for the states -1, 0 and 1. They are fitted by
    least squares to three numbers, 1 for the true state and 0 for the others. The state of the
    highest score is what the probe reads.

    Args:
        resid: the features from which to read.
        board: the true states, -1, 0 and 1.
        fit: True at the positions on which to fit; no other board may be used.
    """
    ### BEGIN SOLUTION
    states = torch.tensor([-1, 0, 1], device=board.device)
    targets = (board[fit][..., None] == states).double().flatten(1)
    probe = ridge(resid[fit], targets, penalty=1e-3)
    scores = probe(resid.flatten(0, 1))
    best = scores.view(-1, board.shape[-1], 3).argmax(-1)
    return states[best].view(board.shape)
    ### END SOLUTION


# %% tags=["check"]
read_boards = lesson_23.check_read_boards(read_boards)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Three targets for each square, one for each state: 1 where the square has it, and 0 elsewhere. Compare `board[fit][..., None]` with the three states, then flatten the last two axes.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `resid[fit]` picks positions, [n feature]. The probe returns [n, 3 * square] for `resid.flatten(0, 1)`: `.view(-1, n_squares, 3).argmax(-1)` is 0, 1 or 2, which stands for -1, 0 or 1.
#
# </details>

# %%
predict(
    "23.colours",
    "Of the flipped discs, how many does a probe for black and white read right, at its best layer? (The list of moves alone gives 0.6 for mine and yours.)",
    choices=["about 0.5", "about 0.6", "about 0.75", "about 0.9"],
)

# %% tags=["folded"]
# Both boards are read at every layer, and the controls beside them; then the curves.
occupied = board != 0
flipped = occupied & (board != world.placed_by(games)[:, :n_time])
KINDS = {
    "all squares": torch.ones_like(flipped),
    "flipped discs": flipped,
    "unflipped discs": occupied & ~flipped,
}


def share(read: Tensor, truth: Tensor, where: Tensor, kind: str = "flipped discs") -> float:
    """The share of squares of a kind that were read right, at the positions `where`."""
    return (read == truth)[KINDS[kind] & where[..., None]].double().mean().item()


TRUTH = {"mine/yours": mine, "black/white": board}
read = {
    (name, layer): read_boards(resid[layer], each, fit)
    for name, each in TRUTH.items()
    for layer in range(6)
}
curves = {
    name: [share(read[name, layer], each, test) for layer in range(6)]
    for name, each in TRUTH.items()
}
of_colours = max(curves["black/white"])
outcome(
    "23.colours",
    level(of_colours, {"about 0.5": 0.55, "about 0.6": 0.67, "about 0.75": 0.83, "about 0.9": 1}),
)
moves = world.history(tokens.cpu(), relative=True)  # a move for each number of steps ago
bare = {layer: read_boards(untrained_resid[layer], mine, fit) for layer in range(6)}
BARE = max(bare, key=lambda layer: share(bare[layer], mine, choose, "all squares"))
controls = {
    "the moves themselves": read_boards(moves, mine, fit),
    f"untrained model, layer {BARE}": bare[BARE],
    "who played there": world.relative_board(world.placed_by(games))[:, :n_time],
}
flat = {
    f"mine/yours from {name}": [share(each, mine, test)] * 6
    for name, each in list(controls.items())[:2]
}
plots.lines(
    curves | flat,
    title="Flipped discs: mine/yours can be read, black/white at no layer",
    x="layer (the residual stream before this block)",
    y="share read right",
)

# %% tags=["folded"]
# The layer that reads best on the games for choosing, and the table of controls there.
BEST = max(
    range(6), key=lambda layer: share(read["mine/yours", layer], mine, choose, "all squares")
)
rows = {f"the model, mine/yours, layer {BEST}": (read["mine/yours", BEST], mine)}
rows[f"the model, black/white, layer {BEST}"] = read["black/white", BEST], board
rows |= {f"{name}, mine/yours": (each, mine) for name, each in controls.items()}
scores = {name: [share(*pair, test, kind) for kind in KINDS] for name, pair in rows.items()}
at_best, of_moves, of_untrained, who = (list(scores.values())[i] for i in (0, 2, 3, 4))
plots.table(
    [(name, *(f"{each:.3f}" for each in line)) for name, line in scores.items()],
    columns=["read from", *KINDS],
)

# %% [markdown]
# *All squares* say little: who played there is right on `0.82` of them, with no model at all. The flipped discs tell. From layer 4 the mine/yours probe reads **0.90** of them, the list of moves **0.63**, an untrained model **0.515**. The model does not lose the unflipped ones in exchange: there it reads **0.93**.
# So a linear probe on the moves misses many flips, and the model has done that work. (Layers, also the untrained model's, were chosen on the games for choosing.)
#
# The black/white probe is right on about half of the flipped discs. The papers found the same on the 8 by 8 board: linear probes fail for black and white, and are enough for mine and yours. Is the colour missing? Black is *mine* when black is to move, and *yours* when not. Whose turn it is can be read from the position alone, but the colour is the *product* of the two, and a linear probe cannot multiply. The rules are the same for both players: a model that holds mine and yours has to learn them once.

# %% tags=["numbers"]
claim("mine/yours, flipped", at_best[1], text=0.90, within=0.02)
claim("mine/yours, unflipped", at_best[2], text=0.93, within=0.02)
claim("the moves, flipped", of_moves[1], text=0.63, within=0.02)
claim("untrained, flipped", of_untrained[1], text=0.515, within=0.03)
assert abs(who[0] - 0.82) < 0.02
assert BEST == LAYER and max(curves["black/white"]) < 0.55 and of_moves[2] < at_best[2]

# %% [markdown]
# ## 3. Flip a disc
#
# A probe reads. Does the *model* read the same thing? Here you know what should follow: flip a disc inside the model, and other moves become legal.
#
# The difference of the probe's weights for *mine* and *yours* on a square is a direction. `resid @ direction + bias` is the square's **score**, above 0 where the probe reads mine rather than yours. To flip the disc, move the stream along the direction until the score is mirrored: `-scale` times what it was.
#
# ### Exercise 2 · the edit (15 minutes, medium)
#
# Write the whole edit: the hooks, the step, and the run. The directions and biases are given (`line_of` takes them from a probe).


# %% tags=["exercise:utils.reading.world.flip_discs"]
def flip_discs(
    model,
    tokens: Int[Tensor, "example time"],
    time: Int[Tensor, " example"],
    lines: Mapping[int, tuple[Float[Tensor, "example d_model"], Float[Tensor, " example"]]],
    *,
    scale: float,
) -> Float[Tensor, "example square"]:
    """The model's logits at one position of each game, with a score mirrored there.

    At layer L, the residual stream before block L, the score of an example is
    `resid @ direction + bias`, where `lines[L]` holds a direction and a bias for each example. At
    each layer in `lines`, move the stream at position `time` along `direction` until the score is
    `-scale` times what it was there. All other positions stay as they are, and so does all that is
    at right angles to the direction.

    Args:
        time: for each example the position to change and to read.
        lines: layer -> (direction, bias); directions have any length.
        scale: 1 mirrors the score; more goes further.
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(tokens), device=tokens.device)

    def mirror(direction, bias):
        def hook(resid, hook):
            resid = resid.clone()
            here = resid[rows, time]
            score = (here * direction).sum(-1) + bias
            step = (1 + scale) * score / direction.pow(2).sum(-1)
            resid[rows, time] = here - step[:, None] * direction
            return resid

        return hook

    hooks = [(f"blocks.{layer}.hook_resid_pre", mirror(*line)) for layer, line in lines.items()]
    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=hooks)[rows, time]
    ### END SOLUTION


# %% tags=["check"]
flip_discs = lesson_23.check_flip_discs(flip_discs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A step `a * direction` changes the score by `a` times the direction's squared length. From `score` to `-scale * score` is a change of `-(1 + scale) * score`. A hook gets [example time d_model]; with `rows = torch.arange(len(tokens))`, `resid[rows, time]` is [example d_model].
#
# </details>
# <details><summary>Hint 2</summary>
#
# A hook that is made in a loop sees the loop's *last* direction when it runs, unless a function of its own makes it: `def mirror(direction, bias): ... return hook`. Change a clone, and return it.
#
# </details>

# %% [markdown]
# Now one flip, before you look at two hundred. Here is another game for testing, after 10 moves, with black to move. The disc on c3 will be flipped **inside the model**.

# %%
ONE, AT, DISC = 710, 10, 14  # c3
figures.boards(
    {"after 10 moves, black to move": played.board[ONE, AT]},
    marked={"after 10 moves, black to move": played.legal[ONE, AT].nonzero()[:, 0].tolist()},
    last={"after 10 moves, black to move": DISC},
    title="Diamonds: legal now. Dot: the disc to flip. Which moves become legal?",
)

# %%
predict(
    "23.flip",
    "Which moves become legal when the disc on c3 is flipped?",
    choices=["a2 and a3", "b2 and c2", "d2 and e2", "none"],
)

# %%
new_board, new_legal, new_moves = after_flip(ONE, AT, DISC)
gained = [name_of(i) for i in (new_legal & ~played.legal[ONE, AT]).nonzero()[:, 0].tolist()]
became = "b2 and c2" if gained == ["b2", "c2"] else "none"
outcome("23.flip", became)
panels = {
    "the board, model as it is": (
        played.board[ONE, AT],
        played.legal[ONE, AT],
        logits[ONE, AT].softmax(-1),
    ),
    "c3 flipped inside the model": (new_board, new_legal, new_moves),
}
figures.boards(
    {name: each[0] for name, each in panels.items()},
    shade={name: each[2].tolist() for name, each in panels.items()},
    marked={name: each[1].nonzero()[:, 0].tolist() for name, each in panels.items()},
    new={"c3 flipped inside the model": [i for i in range(36) if name_of(i) in gained]},
    last={"c3 flipped inside the model": DISC},
    title="The edited model moves as the edited board allows (orange: newly legal)",
)

# %% [markdown]
# One example shows that it can work. How well does it on average? `world.draw_edits` picks positions, and a disc in each, such that the legal moves change. The measure is that of the papers. Let N be the number of legal moves on the edited board, and take the model's N likeliest squares: an **error** is a square among them that is not legal there, or a legal one that is missing.
#
# Layer and scale are chosen on the 100 games for choosing, the errors are reported on the test games.


# %%
def edits_in(start: int, n_games: int, *, n: int, seed: int) -> tuple:
    """Edits in some of the games, these games, and what the model has read in each."""
    some = othello.replay(games[start : start + n_games])
    edits = world.draw_edits(some, n=n, generator=seeded(seed))
    return edits, some, tokens[start + edits.game.to(device)]


def errors(drawn, layer: int, scale: float) -> Tensor:
    """Errors on the edited boards, [edit], after the flip at one layer."""
    edits, _, moves_read = drawn
    line = {layer: line_of(probes[layer], edits.square)}
    new = flip_discs(model, moves_read, edits.time.to(device), line, scale=scale)
    return world.legal_move_errors(new.cpu(), edits.legal)


drawn = edits_in(600, 100, n=60, seed=4003)
tried = {
    (layer, scale): errors(drawn, layer, scale).mean().item()
    for layer in probes
    for scale in (1.0, 2.0, 4.0, 8.0)
}
AT_LAYER, SCALE = min(tried, key=tried.get)
drawn = edits_in(700, 200, n=250, seed=4004)
edits, some, moves_read = drawn
plain = world.logits_after(model, moves_read, edits.time.to(device), {}).cpu()
before, after = world.legal_move_errors(plain, edits.legal), errors(drawn, AT_LAYER, SCALE)
print(f"chosen: layer {AT_LAYER}, scale {SCALE:g}, of {len(tried)} settings")
print(f"errors on the edited boards: no edit {before.mean():.2f}, flip {after.mean():.2f}")

# %% [markdown]
# Errors fall from **2.26** to **0.70**. The best setting overshoots: on the games for choosing, a scale of 1, the plain mirror, leaves more errors, and so does 8.
#
# ### Audit · a colleague's control (5 minutes, medium)
#
# A colleague asks whether the model uses *black/white*. She makes the same edit, `flip_discs` at the same layer and scale, along the directions of the black/white probe, and finds **2.23** errors. "No effect," she says, "so the model does not use the colours." Is her edit a fair control for ours? Think of the step that `flip_discs` makes, and of what that probe's scores are like.

# %%
predict(
    "23.audit",
    "Compare her steps with ours: is her control fair?",
    choices=[
        "yes",
        "no: her steps are much shorter",
        "no: many of her steps go the wrong way",
        "no: both of these",
    ],
)

# %% tags=["folded"]
# Both edits' steps: how long, and how often towards the other state?
colours = world.board_probe(resid[AT_LAYER], board, fit)
stream = resid[AT_LAYER, 700 + edits.game, edits.time]  # where the edits are made, [edit d_model]
STATES = {"ours, mine/yours": (probes[AT_LAYER], mine), "hers, black/white": (colours, board)}
audit = {}
for name, (probe, states) in STATES.items():
    direction, bias = flip_direction(probe, edits.square)
    sign = (stream * direction).sum(-1) + bias > 0
    truth = states[700 + edits.game, edits.time, edits.square] > 0
    step = world.flipper(probe, edits.square, scale=SCALE)(stream) - stream
    audit[name] = step.norm(dim=-1).mean().item(), (sign == truth).double().mean().item()
ours, hers = audit.values()
verdict = {
    (False, False): "yes",
    (True, False): "no: her steps are much shorter",
    (False, True): "no: many of her steps go the wrong way",
    (True, True): "no: both of these",
}
outcome("23.audit", verdict[hers[0] < 0.5 * ours[0], hers[1] < 0.75])
plots.table(
    [(name, f"{length:.0f}", f"{right:.0%}") for name, (length, right) in audit.items()],
    columns=["edit", "mean length of a step", "steps away from the true state"],
)

# %% [markdown]
# A probe that cannot tell the colours gives scores near 0, so their mirror images are near, too; and the sign of its score is nearly a coin toss. Such an edit could hardly have had an effect.
#
# A fair control takes the sign from the *true* colour, and makes each step as long as ours. `world.with_length_of(change, like)` does the second: it steps in the direction of `change`, as far as `like` does. All the controls below get that length.

# %% tags=["folded"]
# The flip and its controls, all with steps of one length.
colour = board[700 + edits.game, edits.time, edits.square]
of_colour, _ = flip_direction(colours, edits.square)
flip = world.flipper(probes[AT_LAYER], edits.square, scale=SCALE)
rivals = {
    "black/white direction": lambda stream: stream - (colour[:, None] * of_colour).to(stream),
    "flip another disc": world.flipper(probes[AT_LAYER], edits.another, scale=SCALE),
}
changes = {"flip this disc": flip}
changes |= {name: world.with_length_of(change, flip) for name, change in rivals.items()}
changes["the opposite step"] = world.opposite(flip)
for draw in range(4):
    changes[f"random {draw}"] = world.in_random_direction(flip, generator=seeded(4005 + draw))
PLACE = f"blocks.{AT_LAYER}.hook_resid_pre"
edited = {
    name: world.logits_after(model, moves_read, edits.time.to(device), {PLACE: change}).cpu()
    for name, change in changes.items()
}
found = {"no edit": before} | {
    name: world.legal_move_errors(each, edits.legal) for name, each in edited.items()
}
of = edits.game.tolist()
bars = {
    name: (each.mean().item(), *bootstrap(each, groups=of))
    for name, each in found.items()
    if name[:6] != "random"
}
draws = [each.mean().item() for name, each in found.items() if name[:6] == "random"]
bars["random direction"] = sum(draws) / len(draws), min(draws), max(draws)
plots.intervals(
    {"errors on the edited board": bars},
    dots={"errors on the edited board": {"random direction": draws}},
    marks={"errors on the edited board": bars["no edit"][0]},
    title="Only this disc's mine/yours direction brings the edited board's moves<br><sup>all steps equally long; line: no edit; random: four draws and their range</sup>",
)

# %% [markdown]
# Now the black/white direction has had its chance, and still leaves **2.25** errors. (That speaks of this direction. A probe that reads colours so badly may have missed a better one.) Random directions and the opposite step do harm. Why a random step harms, and a black/white step of the same length does not, is a question at the end. To flip **another** disc is a disturbance too, on this board. Scored on *its own* board it is a good edit:

# %%
_, third = world.legal_after_flip(some, edits.game, edits.time, edits.another)
true_legal = some.legal[edits.game, edits.time]
matters = (third != true_legal).any(-1) & third.any(-1)
third_errors = [
    world.legal_move_errors(each, third)[matters] for each in (plain, edited["flip another disc"])
]
floor = world.legal_move_errors(plain, true_legal)
plots.table(
    [
        (
            "another disc flipped, its own board",
            f"{third_errors[0].mean():.2f}",
            f"{third_errors[1].mean():.2f}",
        ),
        ("this disc flipped, this board", f"{before.mean():.2f}", f"{after.mean():.2f}"),
        ("the true board", f"{floor.mean():.2f}", ""),
    ],
    columns=["", "errors without an edit", "errors with it"],
)

# %% [markdown]
# Each disc's direction brings that disc's board. Some of the errors that remain are the model's own: on true boards it makes **0.18**.
#
# What this does not show: the step is long, nearly half of the stream's own length, and some boards that it makes are boards that no game can reach. And a model that keeps 36 separate habits that agree with a board would pass this test as well. *Going deeper* looks at that.

# %% tags=["numbers"]
claim("errors, no edit", before.mean(), text=2.26, within=0.1)
claim("errors after the flip", after.mean(), text=0.70, within=0.1)
claim("errors on the true board", floor.mean(), text=0.18, within=0.027)
assert (AT_LAYER, SCALE) == (4, 4.0) and tried[4, 1.0] > tried[4, 4.0] + 0.3
assert abs(bars["black/white direction"][0] - before.mean()) < 0.2
claim("errors, black/white", bars["black/white direction"][0], text=2.25, within=0.1)
assert tried[4, 8.0] > tried[4, 4.0] + 0.3
assert (
    bars["flip this disc"][2]
    < 1
    < 1.9
    < min(each[1] for name, each in bars.items() if name != "flip this disc")
)
assert third_errors[1].mean() < 0.4 * third_errors[0].mean()
shift = {
    name: (each.softmax(-1) - plain.softmax(-1)).abs().sum(-1).mean()
    for name, each in edited.items()
}
assert 0.4 < shift["black/white direction"] / shift["random 0"] < 0.6, "half as much"
line = {AT_LAYER: line_of(colours, edits.square)}
unfair = flip_discs(model, moves_read, edits.time.to(device), line, scale=SCALE)
claim(
    "errors, black/white at its own length",
    world.legal_move_errors(unfair.cpu(), edits.legal).mean(),
    text=2.23,
    within=0.1,
)
assert 0.25 < hers[0] / ours[0] < 0.42 and hers[1] < 0.65 < 0.9 < ours[1]
assert 0.4 < ours[0] / stream.norm(dim=-1).mean() < 0.5, "nearly half of the stream's length"

# %% [markdown]
# ## 4. A faulty board
#
# ### Investigation · which disc is always flipped? (12 minutes, medium)
#
# A tampered model: in its stream before block 4, the disc on **one fixed square** is flipped at every position at which there is one. You cannot look inside. You may ask it for its moves at **30 positions** of the test games, 700 to 899: `ask([700, 701], [12, 15])` returns its logits [2 square], after 12 moves of game 700 and after 15 of game 701. Ask for many at once; what it returned may be used as often as you like.
#
# `world.legal_after_flip(played, game, time, square)` takes three tensors, with one entry for each flip, and returns a pair: the boards with that disc flipped, and what would be legal on them (both [flip square]). It raises an error where there is no disc. The next cell makes one call of each, and spends the first of your 30 positions.
# Which square is it? Give its name as a string, such as `"c3"`.

# %%
FAULT = lesson_23.faulty_square()
directions, biases = line_of(probes[4], torch.tensor([FAULT]))
ask = world.Tampered(model, tokens, directions[0], biases[0], layer=4, scale=4.0, budget=30)

answered = ask([700], [12]).softmax(-1)  # [1 square]
suspect = torch.tensor([14])  # c3
_, legal_if = world.legal_after_flip(played, torch.tensor([700]), torch.tensor([12]), suspect)
print(f"on legal moves of the true board: {answered[0, played.legal[700, 12]].sum():.2f}")
print(f"on those with c3 flipped:         {answered[0, legal_if[0]].sum():.2f}")

# %% tags=["answer:fault"]
### BEGIN SOLUTION
fault = ("b3",)
### END SOLUTION

# %% tags=["check"]
fault = lesson_23.check_fault(fault)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Which illegal moves does it make, and which discs, if flipped, would make them legal? One position leaves several candidates; thirty leave few. Late positions have more discs.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For each square: at the positions where it has a disc, take the probability on the moves that are legal with it flipped, and on the true board where it has none. Add up the logarithms over all positions. The largest sum is your suspect.
#
# </details>

# %% tags=["numbers"]
asked_games, asked_times = (
    torch.randint(700, 900, (30,), generator=seeded(0)),
    torch.randint(8, 22, (30,), generator=seeded(1)),
)
answers, evidence = ask.moves(asked_games, asked_times).softmax(-1), []
for suspect in range(36):
    suspected = played.board[asked_games, asked_times].clone()
    suspected[:, suspect] *= -1
    allowed = othello.legal_moves(suspected, played.player[asked_times])
    evidence.append((answers * allowed).sum(-1).clamp(min=1e-3).log().sum().item())
assert fault == (name_of(FAULT),) == (name_of(max(range(36), key=evidence.__getitem__)),)

# %% [markdown]
# ## Going deeper: where is the board computed?
#
# Before block 4 the board is there. Attention must have brought the moves together, and something must have worked out the flips. Two measurements.
#
# ### Exercise 3 · ablate each component (15 minutes, medium)
#
# A **component** is the attention or the MLP of one block. Replace its output by a mean, and look how well the probe of layer 4 still reads flipped discs. Which mean? The output depends much on the move number, so take the mean over games at each position.


# %% tags=["exercise:utils.reading.world.sweep_components"]
def sweep_components(
    model,
    tokens: Int[Tensor, "game time"],
    going: Bool[Tensor, "game time"],
    components: Sequence[str],
    read: Callable[[Tensor], float],
    *,
    layer: int,
) -> dict[str, float]:
    """What can be read at a layer when one component after another is mean-ablated.

    Ablating a component puts its mean output in place of its output. The mean is taken over games,
    at each position by itself, and only over the games that are `going` there (at a position where
    none is, any number will do).

    Args:
        going: False after a game's end.
        components: hook names of outputs, [game time d_model], before block `layer`.
        read: what to make of the residual stream [game time d_model] before block `layer`.

    Returns:
        component -> what `read` gives when this one alone is ablated.
    """
    ### BEGIN SOLUTION
    place, weight = f"blocks.{layer}.hook_resid_pre", going[..., None].to(tokens.device).float()
    found, kept = {}, {}

    def ablate(out, hook):
        mean = (out * weight).sum(0, keepdim=True) / weight.sum(0, keepdim=True).clamp(min=1)
        return mean.expand_as(out)

    def keep(resid, hook):
        kept["resid"] = resid

    for name in components:
        with torch.no_grad():
            model.run_with_hooks(tokens, fwd_hooks=[(name, ablate), (place, keep)])
        found[name] = read(kept["resid"])
    return found
    ### END SOLUTION


# %% tags=["check"]
sweep_components = lesson_23.check_sweep_components(sweep_components)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two hooks in each run: one at the component, which returns the mean in place of the output, and one at `f"blocks.{layer}.hook_resid_pre"`, which keeps what it sees and returns nothing.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `weight = going[..., None].float()`; the mean is `(out * weight).sum(0, keepdim=True)` over `weight.sum(0, keepdim=True).clamp(min=1)`; then `.expand_as(out)`.
#
# </details>

# %%
predict(
    "23.parts",
    "Which ablation hurts the reading of flipped discs most?",
    choices=["a part of block 0", "a part of block 1", "a part of block 2", "a part of block 3"],
)

# %%
SOME = slice(700, 800)  # half of the test games
COMPONENTS = [f"blocks.{block}.hook_{part}_out" for block in range(4) for part in ("attn", "mlp")]


def read_after(stream: Tensor) -> float:
    """The share of flipped discs of the test games that the probe of layer 4 reads right."""
    said = world.board_states(probes[4](stream.cpu().flatten(0, 1))).view_as(mine[SOME])
    return (said == mine[SOME])[(flipped & test[..., None])[SOME]].double().mean().item()


swept = sweep_components(model, tokens[SOME], test[SOME], COMPONENTS, read_after, layer=4)
worst = min(swept, key=swept.get)
hurt = f"a part of block {worst.split('.')[1]}"
outcome("23.parts", hurt)

# %% tags=["folded"]
# The control, three times: each output moved as far, in random directions. Then both as bars.
moved = [
    world.random_sweep(
        model, tokens[SOME], test[SOME], COMPONENTS, read_after, layer=4, generator=seeded(draw)
    )
    for draw in range(3)
]
control = {name: sum(each[name] for each in moved) / len(moved) for name in COMPONENTS}
beyond = {name: control[name] - swept[name] for name in COMPONENTS}
intact = read_after(resid[4][SOME])
short = ["attention", "MLP"]
labels = [f"{short['mlp' in name]} {name.split('.')[1]}" for name in COMPONENTS]
names = "mean-ablated", "moved as far, at random (three draws)"
fig = go.Figure()
for name, each in zip(names, (swept, control), strict=True):
    fig.add_bar(x=labels, y=list(each.values()), name=name, offsetgroup=name)
for each in moved:
    dots = {"mode": "markers", "marker": {"color": "#333", "size": 5}, "showlegend": False}
    fig.add_scatter(x=labels, y=list(each.values()), offsetgroup=names[1], **dots)
fig.add_hline(y=intact, line={"color": "#888", "width": 1.5})
title = "Both parts of block 0 are needed most, beyond their controls"
below = "flipped discs read at layer 4 after one component is ablated; line: none is"
axes = {"x": "component, and its block", "y": "share read right"}
fig = plots.styled(fig, f"{title}<br><sup>{below}</sup>", **axes, height=400)
fig.update_layout(
    colorway=plots.COLOURS, scattermode="group", legend={"orientation": "h", "y": -0.3}
)
fig.update_yaxes(range=[0, 1])

# %% [markdown]
# An ablation takes something away, and it also moves the stream off its usual place. So each bar needs its control: the output moved as far, in a random direction. Block 0 hurts most, since all that comes later reads it: with its MLP ablated **0.48** are left.
# What an ablation costs *beyond* its control is alike for the attention and the MLP of block 0 (**0.26** each), and of block 1 (`0.05` each). In blocks 2 and 3 only the attention costs more than its control (`0.04` and `0.05`). Ablating the MLP of block 3 costs less than a random step of that length. So no single component holds the board, and attention does not do it alone.
#
# ### Exercise 4 · whose moves does a head attend to? (10 minutes, medium)
#
# Nanda and colleagues report heads that attend to the moves of one player: "mine" or "yours", by the parity of the distance. Measure it for each head here.


# %% tags=["exercise:utils.reading.world.attention_to_own"]
def attention_to_own(
    pattern: Float[Tensor, "game head time key"], going: Bool[Tensor, "game time"]
) -> Float[Tensor, " head"]:
    """Of the attention that each head pays to moves, the share that goes to the own player's.

    At position t the model has read t moves (position 0 is BOS, which is no move), and the move at
    position k was made by the player who is *not* to move if t - k is even. "Own" are the moves of
    the player to move. All attention is added up over games and times before the share is taken.

    Args:
        pattern: each row sums to 1.
        going: True at the positions to count.
    """
    ### BEGIN SOLUTION
    at = torch.arange(pattern.shape[-1], device=pattern.device)
    back = at[:, None] - at
    moves = (back >= 0) & (at > 0)
    own = moves & (back % 2 == 1)
    counted = pattern * going[:, None, :, None].to(pattern.device)
    return (counted * own).sum((0, 2, 3)) / (counted * moves).sum((0, 2, 3))
    ### END SOLUTION


# %% tags=["check"]
attention_to_own = lesson_23.check_attention_to_own(attention_to_own)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two masks over [time key]: all moves (`key` at least 1, not later than `time`), and own moves among them. `at[:, None] - at` is the distance.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The last move, at distance 0, was made by the *other* player. So own moves have an odd distance. Add up `pattern * mask` over games, times and keys, with games and times weighted by `going[:, None, :, None]`.
#
# </details>


# %%
def by_player(model) -> Tensor:
    """The share of attention to moves that goes to the own player's, [block head]."""
    with torch.no_grad():
        _, cache = model.run_with_cache(
            tokens[SOME], names_filter=lambda name: name.endswith("hook_pattern")
        )
    patterns = [cache[f"blocks.{block}.attn.hook_pattern"].cpu() for block in range(6)]
    return torch.stack([attention_to_own(pattern, test[SOME]) for pattern in patterns])


own, own_untrained = by_player(model), by_player(untrained)
plots.heatmap(
    own,
    title=f"Whose moves does each head attend to?<br><sup>untrained heads: {own_untrained.min():.2f} to {own_untrained.max():.2f}, white</sup>",
    x="head",
    y="block",
    label="share to own<br>player's moves",
    signed=True,
    ends=(own_untrained.mean().item() - 0.52, own_untrained.mean().item() + 0.52),
    text="values",
)

# %% [markdown]
# In the untrained model every head gives the own player's moves a share of a little under a half: among earlier moves they are as frequent. In the trained one, all eight heads of block 1 have chosen: seven attend to own moves (**0.95** and more), and one to the other's (`0.02`). Many later heads do so, too.
# The finding of Nanda and colleagues replicates here, and it fits mine and yours: to sort moves into *mine* and *yours*, a head needs nothing but the parity of the distance. That these heads *cause* the board is not shown by their patterns.

# %% tags=["numbers"]
claim("without the MLP of block 0", swept["blocks.0.hook_mlp_out"], text=0.48, within=0.03)
claim("attention 0, beyond", beyond["blocks.0.hook_attn_out"], text=0.26, within=0.02)
claim("MLP 0, beyond", beyond["blocks.0.hook_mlp_out"], text=0.26, within=0.02)
for name, cost in zip(COMPONENTS[2:5] + COMPONENTS[6:7], (0.05, 0.05, 0.04, 0.05), strict=True):
    assert abs(beyond[name] - cost) < 0.008
assert abs(beyond["blocks.2.hook_mlp_out"]) < 0.02 and beyond["blocks.3.hook_mlp_out"] < -0.01
assert max(max(e[n] for e in moved) - min(e[n] for e in moved) for n in COMPONENTS) < 0.02
claim("least of seven heads of block 1", own[1].sort().values[1], text=0.95, within=0.03)
assert own[1].min() < 0.03 and own_untrained.min() > 0.42 and own_untrained.max() < 0.5

# %% [markdown]
# ## Going deeper: a board, or a bag of heuristics?
#
# jylin04 and colleagues (*OthelloGPT learned a bag of heuristics*, 2024) found neurons of the 8 by 8 model that stand for local rules, such as "if A4 was just played and B4 and C4 are occupied, then these discs are theirs", and guess that the board is made by many such rules. Rules about what was *just played* see the order of moves. A board does not.
#
# Vafa and colleagues (arXiv 2406.03689) made this a test. **Compression**: two sequences that lead to the same state should allow the same continuations. **Distinction**: two that lead to different states should not. For a fair comparison the sequences should differ equally in both. So take a game, exchange two moves of one player, and keep it if the rules allow it. Some exchanges lead to the same board, others to a board with a few other discs.
# (Pairs found in random openings would not do: openings of up to 8 moves stood in the training games, and the model could remember both.)

# %%
swaps = world.draw_swaps(games[700:], othello.replay(games[700:]), n=12000, generator=seeded(4006))
same = swaps.same
has_moves = swaps.legal.any(-1).all(0)
predict(
    "23.order",
    "Same board, other order: how far apart are the model's two predictions? (Total variation, 0 to 1: the share of probability that would have to move. For exchanges that change the board the rules demand 0.2.)",
    choices=["below 0.02", "0.02 to 0.08", "0.08 to 0.15", "above 0.15"],
)


# %%
@torch.no_grad()
def predictions(model) -> Tensor:
    """What the model predicts after either order, [order pair square]."""
    rows = torch.arange(len(swaps.time))
    both = [
        model(each.to(device))[rows, swaps.time].softmax(-1).cpu()
        for each in (swaps.first, swaps.second)
    ]
    return torch.stack(both)


def apart(both: Tensor) -> Tensor:
    """Total variation of two predictions."""
    return (both[0] - both[1]).abs().sum(-1) / 2


uniform = swaps.legal / swaps.legal.sum(-1, keepdim=True).clamp(min=1)
distances = {
    name: apart(each)
    for name, each in {
        "the model": predictions(model),
        "an untrained model": predictions(untrained),
        "the rules": uniform,
    }.items()
}
WHICH = {
    "same board": same,
    "same board, exchanged in the last 2 moves": same & (swaps.since < 2),
    "same board, exchanged before the last 6": same & (swaps.since >= 6),
    "another board": ~same,
}
order = {
    name: [each[which & has_moves].mean().item() for which in WHICH.values()]
    for name, each in distances.items()
}
ORDERS = {"below 0.02": 0.02, "0.02 to 0.08": 0.08, "0.08 to 0.15": 0.15, "above 0.15": 1}
of_order = order["the model"][0]
outcome("23.order", level(of_order, ORDERS))
plots.table(
    [(name, *(f"{each:.3f}" for each in line)) for name, line in order.items()],
    columns=[
        "total variation",
        *(f"{name} ({int(each.sum())} pairs)" for name, each in WHICH.items()),
    ],
)

# %% [markdown]
# With exchanges that keep the board, the model's prediction moves by **0.026**, with those that change it by **0.17**, where the rules demand **0.22**. The untrained model tells the two kinds less well apart: `0.042` and `0.079`. So the trained model's moves depend mostly on the board, and not on the order. But not wholly: a model that only held the board would be at 0 in the first three columns.
#
# Exchanges of *recent* moves matter more, `0.073` (27 pairs; 95% interval `0.049` to `0.096`) against `0.015`. Is that the mark of rules about what was just played? The untrained model, which has no rules, shows the same ratio, about 5. So this column is no evidence for rules.
#
# ### Exercise 5 · the compression test (15 minutes, medium)
#
# The published test asks for more than the next move: a *continuation* that the model would play after the first order should be acceptable after the second.


# %% tags=["exercise:utils.reading.world.continuations_accepted"]
def continuations_accepted(
    model,
    first: Int[Tensor, "pair time"],
    second: Int[Tensor, "pair time"],
    *,
    n_moves: int,
    epsilon: float,
    generator: torch.Generator,
) -> Bool[Tensor, "pair n_moves"]:
    """Are continuations that the model draws after `first` also accepted after `second`?

    The model accepts a move that gets a probability above `epsilon`. Move by move, draw one of the
    accepted moves after `first` by its probability, and put it at the end of both. An entry is True
    where this move and all before it were accepted after `second`, too.

    Source: the compression test of Vafa et al., 2024 (arXiv 2406.03689).

    Args:
        generator: on the CPU, for `torch.multinomial(..., generator=generator)`.
    """
    ### BEGIN SOLUTION
    good = torch.ones(len(first), dtype=torch.bool)
    found = []
    for _ in range(n_moves):
        with torch.no_grad():
            probs, others = (model(x)[:, -1].softmax(-1).cpu() for x in (first, second))
        move = torch.multinomial(probs * (probs > epsilon), 1, generator=generator)
        good = good & (others.gather(1, move)[:, 0] > epsilon)
        found.append(good)
        first, second = (torch.cat([x, move.to(x)], dim=1) for x in (first, second))
    return torch.stack(found, dim=1)
    ### END SOLUTION


# %% tags=["check"]
continuations_accepted = lesson_23.check_continuations_accepted(continuations_accepted)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# In a loop over moves: probabilities after both, a draw from the first ones, with all that are not above epsilon set to 0, and the probability of that move after the second.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.multinomial(weights, 1, generator=generator)` draws [pair, 1], and its rows need not sum to 1. Keep one tensor of booleans [pair], and `&` each move's result to it. Join the move to both with `torch.cat`.
#
# </details>


# %%
def kept_on(which: Tensor, model=model, n_moves: int = 4) -> Tensor:
    """Of continuations drawn after the first order, which were accepted, [pair n_moves]."""
    found = []
    for time in range(12, 25, 2):
        rows = (which & has_moves & (swaps.time == time)).nonzero()[:, 0]
        if len(rows):
            pair = [each[rows, : time + 1].to(device) for each in (swaps.first, swaps.second)]
            found.append(
                continuations_accepted(
                    model, *pair, n_moves=n_moves, epsilon=0.01, generator=seeded(time)
                )
            )
    return torch.cat(found)


taken = {
    (name, kind): kept_on(which, each)[:, -1].float()
    for name, each in (("the model", model), ("an untrained model", untrained))
    for kind, which in (("same board", same), ("another board", ~same))
}
ACCEPTED = {key: (each.mean().item(), *bootstrap(each)) for key, each in taken.items()}
plots.table(
    [
        (*key, len(taken[key]), "{:.2f} ({:.2f} to {:.2f})".format(*each))
        for key, each in ACCEPTED.items()
    ],
    columns=["who plays", "two orders", "pairs", "all 4 moves accepted (95% interval over pairs)"],
)

# %% [markdown]
# Of continuations of four moves, the model accepts **0.97** after the other order if the board is the same, and **0.85** if it is another. (Another board differs in two or three discs; many moves are legal on both.) Alone, the first number means nothing: the **untrained** model passes compression at least as well, with **0.99**, because it gives `0.84` of all squares more than epsilon, and so accepts most moves anywhere: on another board all `66` continuations. Only *distinction* separates the two models, here and in the table above.
#
# Does this decide the debate? The model keeps equal boards together and different ones apart, on exchanges of two moves. A bag of many good rules could do so as well, and so could a board that is read with small errors. In Vafa and colleagues' strict form, a pair counts only if *all* of its 30 continuations are accepted; that falls with the number of draws, for any model with small errors.

# %% tags=["numbers"]
claim("other order, same board", order["the model"][0], text=0.026, within=0.0035)
claim("other order, another board", order["the model"][3], text=0.17, within=0.025)
assert abs(order["an untrained model"][0] - 0.042) < 0.004
assert abs(order["an untrained model"][3] - 0.079) < 0.004
ratios = [line[1] / line[2] for name, line in order.items() if name != "the rules"]
assert all(3.5 < ratio < 6.5 for ratio in ratios) and abs(ratios[0] - ratios[1]) < 1.5
recent = distances["the model"][WHICH["same board, exchanged in the last 2 moves"] & has_moves]
assert len(recent) == 27 and abs(bootstrap(recent)[0] - 0.049) < 0.01
claim("the rules, another board", order["the rules"][3], text=0.22, within=0.03)
claim("accepted, same board", ACCEPTED["the model", "same board"][0], text=0.97, within=0.02)
claim("accepted, another board", ACCEPTED["the model", "another board"][0], text=0.85, within=0.06)
bare_same, bare_other = (each[0] for name, each in ACCEPTED.items() if name[0] != "the model")
claim("accepted, same board, untrained", bare_same, text=0.99, within=0.02)
assert bare_other == 1 and len(taken["an untrained model", "another board"]) == 66
assert abs((predictions(untrained) > 0.01).float().mean() - 0.84) < 0.03
assert bare_same > ACCEPTED["the model", "same board"][0] - 0.01
assert (
    ACCEPTED["an untrained model", "another board"][1] > ACCEPTED["the model", "another board"][0]
)

# %% [markdown]
# ## Going deeper: do the squares share their parts?
#
# Seventy-two directions, mine against yours and disc against none for each square, look like a bag. Lee and colleagues (arXiv 2605.09967) ask whether they are made of shared parts: a vector for each **square**, a vector for each **state**, and a matrix made from the stream that binds the two, a *tensor product representation*. `world.tensor_probe` trains such a probe: the score of state c on square s is `q[s] @ T @ f[c]`, with `T = resid @ B`.
#
# ### Task · before you run it
#
# Its rival is a linear probe through 30 shared directions, with as many weights. If the squares share nothing, which of the two should read more? Then try `rank=12` against 15 directions. (10 minutes)

# %%
centred = {"trained": resid[4], "untrained": untrained_resid[4]}
centred = {name: (x - x[fit].mean(0)) / x[fit].std() for name, x in centred.items()}
tensor = {
    name: world.tensor_probe(each[fit], mine[fit], rank=24, steps=400, generator=seeded(0))
    for name, each in centred.items()
}


tensor_rows = {}
for name, x in centred.items():
    states = world.tensor_scores(x.flatten(0, 1), *tensor[name]).argmax(-1).view_as(mine) - 1
    said = {"tensor product, rank 24": (sum(each.numel() for each in tensor[name]), states)}
    for rank in (30, 108) if name == "trained" else ():
        n, low = world.low_rank_probe(x[fit], mine[fit], rank=rank, steps=400, generator=seeded(0))
        label = "linear, all 108 directions" if rank == 108 else f"linear, {rank} directions"
        said[label] = n, low(x.flatten(0, 1)).view_as(mine)
    for label, (n, states) in said.items():
        kinds = "all squares", "flipped discs"
        tensor_rows[label, name] = n, [share(states, mine, test, kind) for kind in kinds]
beside = {name: world.share_of_neighbours(parts[1]) for name, parts in tensor.items()}
plots.table(
    [(*key, n, *(f"{each:.3f}" for each in line)) for key, (n, line) in tensor_rows.items()],
    columns=["probe", "model", "weights", "all squares", "flipped discs"],
)

# %%
plots.table(
    [(f"{name} model", f"{value:.2f}") for name, value in beside.items()] + [("chance", "0.17")],
    columns=[
        "square vectors q of",
        "of a square's 4 nearest vectors, share next to it on the board",
    ],
)

# %% [markdown]
# With as few weights, the tensor probe reads more than a linear probe through 30 directions: **0.86** of the flipped discs against **0.83**. Two more seeds of the probes give `0.859` and `0.861` against `0.828` and `0.828`. That is what shared parts would give, in this one model; the gain is small, and the full linear probe, with twice the weights, still reads more. (Compare with a probe that was *trained* at the smaller size. A linear probe that is cut down after training is a weaker rival.)
#
# The paper's abstract reports that the weights of its probe show the geometry of the board. Here a square's nearest vectors are often its neighbours on the board. But look at the untrained model: there, too, far more often than chance. Squares next to each other have similar histories in the *games*, and a probe learns that from its targets. So this geometry is by itself no evidence about our model.

# %% tags=["numbers"]
flips = {key: line[1] for key, (_, line) in tensor_rows.items()}
claim("tensor probe", flips["tensor product, rank 24", "trained"], text=0.86, within=0.015)
claim("30 directions", flips["linear, 30 directions", "trained"], text=0.83, within=0.015)
assert flips["linear, all 108 directions", "trained"] > flips["tensor product, rank 24", "trained"]
assert min(beside.values()) > 2 * 0.175

# %% [markdown]
# ## Going deeper: does a sparse autoencoder find the board?
#
# Lesson 4.2 trains sparse autoencoders: dictionaries that describe a stream by few active latents, without labels. On language nobody knows what they should find. Here you do. Karvonen and colleagues (arXiv 2408.00113) score **coverage**: for each fact about the board, such as "c3 is mine", the F1 of the best single latent, averaged over facts.
#
# ### Exercise 6 · coverage (10 minutes, medium)


# %% tags=["exercise:utils.reading.world.coverage"]
def coverage(
    acts: Float[Tensor, "example latent"],
    facts: Bool[Tensor, "example fact"],
    *,
    cuts: Sequence[float],
) -> Float[Tensor, " fact"]:
    """How well the best single latent tells each fact: its F1, at its best cut.

    A latent says yes where its activation is above a cut, a share of its largest activation. F1 is
    twice the true positives, over the number of times that the latent says yes plus the number of
    times that the fact holds. The latent and the cut are the best for each fact.

    Source: coverage in Karvonen et al., 2024 (arXiv 2408.00113).

    Args:
        acts: at least 0.
        facts: each holds at least once.
    """
    ### BEGIN SOLUTION
    top, truth = acts.amax(0), facts.float()
    best = torch.zeros(facts.shape[1], device=acts.device)
    for cut in cuts:
        says = (acts > cut * top).float()
        hits = says.T @ truth
        f1 = 2 * hits / (says.sum(0)[:, None] + truth.sum(0))
        best = torch.maximum(best, f1.amax(0))
    return best
    ### END SOLUTION


# %% tags=["check"]
coverage = lesson_23.check_coverage(coverage)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For one cut, `says` is [example latent] and `facts` is [example fact]; one matrix product counts the true positives of all pairs.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `hits = says.T @ facts.float()` is [latent fact]. The number of yeses is [latent], and of times that a fact holds [fact]: give the first a second axis. Then the maximum over latents, and over cuts with `torch.maximum`.
#
# </details>

# %%
CUTS = [0.1 * i for i in range(10)]
facts = torch.cat([mine[test] == 1, mine[test] == -1], dim=1)
varied = {}
cover = {"a latent that is always active": 2 * facts.float().mean(0) / (1 + facts.float().mean(0))}
for name, each in (("trained", resid[4]), ("untrained", untrained_resid[4])):
    encode, varied[f"latents of an autoencoder, {name} model"] = world.sparse_codes(
        each[fit], n_latents=256, k=24, steps=500, generator=seeded(0)
    )
    cover[f"latents of an autoencoder, {name} model"] = coverage(
        encode(each[test]), facts, cuts=CUTS
    )
    plain_axes = each[test] - each[fit].mean(0)
    cover[f"the stream's own 128 axes, {name} model"] = coverage(
        torch.cat([plain_axes, -plain_axes], 1).relu(), facts, cuts=CUTS
    )
said = read["mine/yours", 4][test]
said = torch.cat([said == 1, said == -1], dim=1).float()
cover["the linear probe (has labels)"] = 2 * (said * facts).sum(0) / (said.sum(0) + facts.sum(0))
plots.table(
    [
        (
            name,
            f"{varied[name]:.2f}" if name in varied else "",
            f"{each.mean():.2f}",
            int((each > 0.9).sum()),
        )
        for name, each in cover.items()
    ],
    columns=["what tells the 72 facts", "variance explained", "coverage", "facts above 0.9"],
)

# %% [markdown]
# This small autoencoder does not find the board. Its best latents describe "mine" and "yours" hardly better than a latent that is always active, worse than the stream's own axes, and far worse than the probe. No fact is above `0.9`. The latents for the untrained model tell less, although they explain more of its stream (**0.91** of the variance against **0.85**). So the trained model's do tell *something* about the board.
#
# Perhaps the reason is sparsity: an autoencoder of this kind is trained to use few latents at a time, and of 36 squares up to 35 have a disc. We did not test that. This says something about our autoencoder and this measure, and nothing against the board.

# %% tags=["numbers"]
known, unknown = varied.values()
claim("variance explained, trained", known, text=0.85, within=0.02)
claim("variance explained, untrained", unknown, text=0.91, within=0.02)
covered = {name: each.mean().item() for name, each in cover.items()}
latents, axes = (
    covered[f"{what}, trained model"]
    for what in ("latents of an autoencoder", "the stream's own 128 axes")
)
assert covered["latents of an autoencoder, untrained model"] < latents - 0.05 and latents < axes
assert abs(latents - covered["a latent that is always active"]) < 0.12
assert covered["the linear probe (has labels)"] > 0.88
assert max(each.max() for name, each in cover.items() if "probe" not in name) < 0.9

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "probability on legal moves",
            f"{gate['the model'][0]:.3f}",
            f"{gate['an untrained model'][0]:.2f}, untrained",
            "",
        ),
        (
            "mine/yours probe, all squares",
            f"{at_best[0]:.3f}",
            f"{of_moves[0]:.3f}, list of moves; {of_untrained[0]:.3f}, untrained",
            "99.5% (8 by 8; Nanda et al.)",
        ),
        (
            "mine/yours probe, flipped discs",
            f"{at_best[1]:.2f}",
            f"{of_moves[1]:.2f}, list of moves; {of_untrained[1]:.2f}, untrained",
            "",
        ),
        (
            "errors after a flip",
            f"{before.mean():.2f} to {after.mean():.2f}",
            f"{bars['black/white direction'][0]:.2f}, black/white; {bars['random direction'][0]:.2f}, random",
            "2.72 to 0.10 (8 by 8; Nanda et al.)",
        ),
        (
            "change of the prediction, same board",
            f"{order['the model'][0]:.3f}",
            f"{order['the model'][3]:.2f}, another board; {order['an untrained model'][0]:.3f}, untrained",
            "",
        ),
        (
            "continuations accepted, same and another board",
            "{:.2f} and {:.2f}".format(*(each[0] for each in list(ACCEPTED.values())[:2])),
            "{:.2f} and {:.2f}, untrained".format(
                *(each[0] for each in list(ACCEPTED.values())[2:])
            ),
            "",
        ),
        (
            "coverage of an autoencoder",
            f"{cover['latents of an autoencoder, trained model'].mean():.2f}",
            f"{cover['latents of an autoencoder, untrained model'].mean():.2f}, untrained; {cover['the linear probe (has labels)'].mean():.2f}, probe",
            "",
        ),
    ],
    columns=["", "ours (6 by 6)", "control", "paper's"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The list of moves is read by a *linear* probe. Would a stronger probe on the moves be a fair control, or would it learn the game?
# 2. A random step harms the moves (`2.65` errors), and a black/white step of the same length does not (`2.25`). It also changes the prediction half as much. What would you measure to find out why?
# 3. Two orders, one board, predictions `0.026` apart. What would convince you that this is noise of a small model, and not a habit about recent moves?
# 4. Which of the tests of this lesson could you run on a language model, where nobody knows the world's state?
#
# ## Common mistakes
#
# - Off by one in who moves next: at position t the model has read t moves and predicts the next player's.
# - Splitting positions instead of games: two positions of one game are nearly the same board.
# - Scoring all squares only: empty and unflipped ones hide the difference.
# - Comparing edits whose steps differ in length or go the wrong way.
# - Reporting compression alone: a model that accepts every move passes it.
# - Making hooks in a loop without a function: all get the last direction.
# - Testing "same board" on openings that stood in the training games.
#
# ## Where this breaks
#
# One small board, one trained model, random games, and edited boards that no game need reach. Training on sets of legal moves is kinder than single games. The exchanges of two moves are a small part of all orders. One autoencoder for each model.
#
# ## Further reading
#
# - Li et al. (2022), *Emergent World Representations*, arXiv 2210.13382
# - Nanda, Lee and Wattenberg (2023), *Emergent Linear Representations in World Models of Self-Supervised Sequence Models*, arXiv 2309.00941
# - Vafa et al. (2024), *Evaluating the World Model Implicit in a Generative Model*, arXiv 2406.03689
# - jylin04, JackS, Karvonen and Rager (2024), *OthelloGPT learned a bag of heuristics* (lesswrong.com)
# - Karvonen et al. (2024), *Measuring Progress in Dictionary Learning with Board Game Models*, arXiv 2408.00113
# - Lee, Viégas and Wattenberg (2026), *Tensor Product Representation Probes Reveal Shared Structure Across Linear Directions*, arXiv 2605.09967
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.2 · Probing without labels](22_probing_without_labels.ipynb) | **Next:** [2.4 · Belief states](24_belief_states.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/22_probing_without_labels.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/24_belief_states.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("23")
