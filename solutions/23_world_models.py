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
# **First, play.** The next cell but one shows three boards of Othello, with black to move. On the left is the board of a game, shaded where a transformer moves that was given nothing but the list of moves. Then **one disc's score was turned over inside the model**. In the middle is what a linear probe reads from its residual stream after that. On the right is the board with that disc flipped, shaded where the model moves now.
# Choose another disc. Do the model's moves follow? Does only this disc read differently?

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
from functools import partial

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

board, LAYER, SCALE = played.board[:, :n_time], 4, 2.0
PLACE = f"blocks.{LAYER}.hook_resid_pre"
mine = world.relative_board(played.board)[:, :n_time]  # as the player to move sees it
probes = {layer: world.board_probe(resid[layer], mine, fit) for layer in range(1, 6)}

GAME, TIME = 700, 14  # a game for testing, after 14 moves
discs = played.board[GAME, TIME].nonzero()[:, 0]
here = torch.tensor([GAME, TIME]).expand(len(discs), 2).unbind(1)
_, legal_then = world.legal_after_flip(played, *here, discs)
discs = discs[(legal_then != played.legal[GAME, TIME]).any(-1)].tolist()  # those that matter


def after_flip(game: int, time: int, square) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The board with one disc flipped, the legal moves there, the edited model's moves, and the
    board that the probe reads in the edited stream."""
    where = [torch.tensor([int(each)]) for each in (game, time, square)]
    flipped_board, legal = world.legal_after_flip(played, *where)
    change = world.flipper(probes[LAYER], where[2], scale=SCALE)
    new = world.logits_after(model, tokens[[game]], where[1].to(device), {PLACE: change})
    read = world.board_states(probes[LAYER](change(resid[LAYER, game, [time]])))
    return flipped_board[0], legal[0], new[0].softmax(-1).cpu(), read[0] * played.player[time]


def poster(square: int, game: int = GAME, time: int = TIME):
    """The board; the board that the probe reads after the edit; the board that was meant."""
    true, before = played.board[game, time], played.legal[game, time]
    new, legal, moves, read = after_flip(game, time, square)
    names = "the board", "the probe reads", f"{name_of(square)} flipped"
    squares = [each.nonzero()[:, 0].tolist() for each in (before, legal & before, legal & ~before)]
    return figures.boards(
        dict(zip(names, (true, read, new), strict=True)),
        shade={names[0]: logits[game, time].softmax(-1).tolist(), names[2]: moves.tolist()},
        marked={names[0]: squares[0], names[2]: squares[1]},
        new={names[2]: squares[2]},
        last={
            name: (b != true).nonzero()[:, 0].tolist()
            for name, b in zip(names[1:], (read, new), strict=True)
        },
        title="Black to move: where does the model move?<br><sup>Shade: its probability. "
        "Diamonds: legal, orange if the flip made it so. Dots: other than on the left</sup>",
    )


figures.slider(
    lambda i: poster(discs[i]),
    n=len(discs),
    label="flip",
    at=discs.index(othello.SIZE * 2 + 3),  # d3
    names=[name_of(square) for square in discs],
)

# %% [markdown]
# The game was chosen because the edit works well in it. You will write the edit, and measure how well it works on average.
#
# ## 1. The game and the model
#
# Two players, black and white, put discs on a board in turn, here of 6 by 6 squares. A move must enclose a straight row of the other's discs between the new disc and another of one's own; all that are enclosed are **flipped** to one's own colour. Black begins, and a game ends when the player to move has no legal move.
#
# The model has six blocks and a residual stream of 128 numbers. It reads moves, one token each: a square's token is its number, row by row (a1 is 0, f6 is 35), after a BOS token, 36. It returns 36 logits, one a square. It was trained on random games, and graded at each position on the whole *set* of legal moves there.
# That tells more about the rules than single games do. It was never shown a board, a colour or a row.
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
# **0.960** of its probability falls on legal moves, and `0.04` breaks the rules. Memory of whole games does not explain it: of openings of 12 moves, next to none stood in the training games (`data/othello/log.json`). *You* would keep a board in your head. Does the model?

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
# - **an untrained model**, at its best layer.
#
# Most squares are easy: who put a disc there tells its colour, unless the disc was flipped later. **Flipped** discs now have the other colour than the player who put them there; a reader that knows only who played there is wrong on each of them. A reader that says "flipped" too often loses on the **unflipped** ones. So look at both.
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
    "Of the flipped discs, how many does one linear probe for black and white read right, at its best layer? (With two colours, a coin is right on 0.5.)",
    choices=["about 0.5", "about 0.65", "about 0.8", "about 0.9"],
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
    level(of_colours, {"about 0.5": 0.57, "about 0.65": 0.73, "about 0.8": 0.85, "about 0.9": 1}),
)
moves = world.history(tokens.cpu(), relative=True)  # a move for each number of steps ago
bare = {layer: read_boards(untrained_resid[layer], mine, fit) for layer in range(6)}
BARE = max(bare, key=lambda layer: share(bare[layer], mine, choose, "all squares"))
controls = {
    "the moves themselves": read_boards(moves, mine, fit),
    f"untrained model, layer {BARE}": bare[BARE],
}
flat = {f"mine/yours from {name}": [share(each, mine, test)] * 6 for name, each in controls.items()}
plots.lines(
    curves | flat,
    title="Flipped discs: one linear probe reads mine/yours, and not black/white",
    x="layer (the residual stream before this block)",
    y="share read right",
)

# %% tags=["folded"]
# The layer that reads best on the games for choosing, and all readings there.
BEST = max(
    range(6), key=lambda layer: share(read["mine/yours", layer], mine, choose, "all squares")
)
black_moves = (torch.arange(n_time) % 2 == 0).expand_as(fit)
by_turn = torch.where(
    black_moves[..., None],
    read_boards(resid[BEST], board, fit & black_moves),
    read_boards(resid[BEST], board, fit & ~black_moves),
)
in_order = read_boards(world.history(tokens.cpu(), relative=False), board, fit)
model_row = f"the model, layer {BEST}"
rows = {
    (model_row, "mine/yours"): (read["mine/yours", BEST], mine),
    (model_row, "black/white"): (read["black/white", BEST], board),
    (model_row, "black/white, one probe for each player's turns"): (by_turn, board),
    ("the moves themselves", "mine/yours"): (controls["the moves themselves"], mine),
    ("the moves, counted from the opening", "black/white"): (in_order, board),
    (f"untrained model, layer {BARE}", "mine/yours"): (bare[BARE], mine),
}
scores = {
    key: [share(*pair, test, kind) for kind in ("flipped discs", "unflipped discs")]
    for key, pair in rows.items()
}
at_best, one_colour, two_colours, of_moves, from_opening, of_untrained = scores.values()
plots.table(
    [(*key, *(f"{each:.3f}" for each in line)) for key, line in scores.items()],
    columns=["read from", "what", "flipped discs", "unflipped discs"],
)

# %% [markdown]
# From layer 4 the mine/yours probe reads **0.90** of the flipped discs, a linear probe on the list of moves **0.63**, an untrained model **0.515**; and of the unflipped ones it reads **0.93**. So more can be read linearly from the stream than from the moves. (A stronger probe on the moves may read more. Layers, also the untrained model's, were chosen on the games for choosing.)
#
# One linear probe for black/white reads **0.52** of the flipped discs. The papers found so on the 8 by 8 board. But the colour is not missing: with one probe for black's turns and one for white's, **0.90** is read. Black is *mine* on black's turns and *yours* on white's, so what points to black turns round from move to move. One linear map for all moves cannot follow that.

# %% tags=["numbers"]
claim("mine/yours, flipped", at_best[0], text=0.90, within=0.02)
claim("mine/yours, unflipped", at_best[1], text=0.93, within=0.02)
claim("the moves, flipped", of_moves[0], text=0.63, within=0.02)
claim("untrained, flipped", of_untrained[0], text=0.515, within=0.03)
claim("black/white, one probe", one_colour[0], text=0.52, within=0.03)
claim("black/white, by turn", two_colours[0], text=0.90, within=0.02)
assert BEST == LAYER and max(curves["black/white"]) < 0.57 and of_moves[1] < at_best[1]
assert abs(from_opening[0] - 0.54) < 0.03

# %% [markdown]
# ## 3. Flip a disc
#
# A probe reads. Does the *model* read the same thing? Here you know what should follow: flip a disc inside the model, and other moves become legal.
#
# The difference of the probe's weights for *mine* and *yours* on a square is a direction. `resid @ direction + bias` is the square's **score**, above 0 where the probe reads mine rather than yours. To flip the disc, move the stream along the direction until the score has the other sign.
#
# ### Exercise 2 · the step (7 minutes, medium)
#
# `resid` holds the stream at one layer and one position, a row for each example. Each example has its own direction and bias, since each flips another square. The hooks and the run are given: `world.logits_after(model, tokens, time, {hook_name: change})` calls `change` on the stream at position `time` of each game, and returns the logits there.


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
# First the score of each example: `(resid * direction).sum(-1) + bias`. A step `a * direction` changes it by `a` times the direction's *squared* length.
#
# </details>
# <details><summary>Hint 2</summary>
#
# From `score` to `-scale * score` is a change of `-(1 + scale) * score`. Divide by `direction.pow(2).sum(-1)`; `[:, None]` lets one number for each example multiply its row.
#
# </details>

# %% [markdown]
# Now one flip, before you look at two hundred. Here is another game for testing, after 10 moves, with black to move. The disc on c3 will be flipped **inside the model**: at layer 4 (`blocks.4.hook_resid_pre`), to minus 2 times its score.

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
new_legal = after_flip(ONE, AT, DISC)[1]
gained = (new_legal & ~played.legal[ONE, AT]).nonzero()[:, 0].tolist()
became = "b2 and c2" if [name_of(i) for i in gained] == ["b2", "c2"] else "none"
outcome("23.flip", became)
poster(DISC, ONE, AT)

# %% [markdown]
# The moves follow, and the probe now reads other squares differently, too. How is it on average? `world.draw_edits` picks positions, and a disc in each, such that the legal moves change. As in the papers, let N be the number of legal moves on the edited board, and take the model's N likeliest squares: an **error** is a square among them that is not legal there, or a legal one that is missing.
#
# At which layer, and how far? First on the 100 games for choosing.


# %%
def edits_in(start: int, n_games: int, *, n: int, seed: int) -> tuple:
    """Edits in some of the games, these games, and what the model has read in each."""
    some = othello.replay(games[start : start + n_games])
    edits = world.draw_edits(some, n=n, generator=seeded(seed))
    return edits, some, tokens[start + edits.game.to(device)]


def flip(probe: Affine, square: Tensor, scale: float) -> Callable[[Tensor], Tensor]:
    """Your step, for a square in each example: from the stream to the changed stream."""
    direction, bias = (each.to(device) for each in flip_direction(probe, square))
    return lambda stream: flip_along(stream, direction.to(stream), bias.to(stream), scale)


def errors(drawn, changes: dict) -> Tensor:
    """Errors on the edited boards, [edit], with changes at the hooks that are named."""
    edits, _, moves_read = drawn
    new = world.logits_after(model, moves_read, edits.time.to(device), changes)
    return world.legal_move_errors(new.cpu(), edits.legal)


drawn, SCALES = edits_in(600, 100, n=60, seed=4003), (1.0, 2.0, 4.0, 8.0)
tried = {
    (at, scale): errors(
        drawn, {f"blocks.{at}.hook_resid_pre": flip(probes[at], drawn[0].square, scale)}
    )
    for at in probes
    for scale in SCALES
}
plots.table(
    [(at, *(f"{tried[at, scale].mean():.2f}" for scale in SCALES)) for at in probes],
    columns=["layer", *(f"errors, scale {scale:g}" for scale in SCALES)],
)

# %% [markdown]
# Layer 4 leaves fewest errors at scales 1, 2 and 4. Scale 1, the mirrored score, leaves more than longer steps. What do the longer steps do besides?
#
# ### Audit · a colleague's control (4 minutes, medium)
#
# A colleague asks whether the model uses *black/white*. She makes the same edit, at the same layer and scale (2), along the directions of the black/white probe, and finds **2.23** errors, where **2.26** are made without an edit. "No effect," she says, "so the model does not use the colours." Is her edit a fair control for ours?

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
# Both edits' steps on the test games: how long, and how often with the right sign?
drawn = edits_in(700, 200, n=250, seed=4004)
edits, some, moves_read = drawn
colours = world.board_probe(resid[LAYER], board, fit)
stream = resid[LAYER, 700 + edits.game, edits.time]  # where the edits are made, [edit d_model]
STATES = {"ours, mine/yours": (probes[LAYER], mine), "hers, black/white": (colours, board)}
audit = {}
for name, (probe, states) in STATES.items():
    direction, bias = flip_direction(probe, edits.square)
    sign = (stream * direction).sum(-1) + bias > 0
    truth = states[700 + edits.game, edits.time, edits.square] > 0
    step = world.flipper(probe, edits.square, scale=SCALE)(stream) - stream
    audit[name] = step.norm(dim=-1).mean().item(), (sign == truth).double().mean().item()
ours, hers = audit.values()
both = hers[0] < 0.5 * ours[0] and hers[1] < 0.75
found_unfair = "no: both of these" if both else "yes"
outcome("23.audit", found_unfair)
plots.table(
    [(name, f"{length:.0f}", f"{right:.0%}") for name, (length, right) in audit.items()],
    columns=["edit", "mean length of a step", "sign of the score right"],
)

# %% [markdown]
# Her probe cannot tell the colours, so its scores are small and their signs nearly random. A fairer control takes the sign from the *true* colour, and makes each step as long as ours. That is the black/white row below. All steps of one scale are equally long.
#
# And can the edit change the moves without any board? **After the last block** nothing follows that could read one: the same step, added there, acts through the unembedding alone.

# %% tags=["folded"]
# The flip and its controls at three scales; each is also read again, at layers 4 and 5.
at_edit, LAST = torch.arange(len(edits.square)), f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
AFTER_ALL = "this disc,<br>after the last block"
wanted = mine[700 + edits.game, edits.time].clone()  # the board that is meant
wanted[at_edit, edits.square] *= -1
others = torch.ones_like(wanted, dtype=torch.bool)
others[at_edit, edits.square] = False
colour = board[700 + edits.game, edits.time, edits.square]
of_colour, _ = flip_direction(colours, edits.square)
as_read = world.board_states(probes[LAYER](stream))


def later(change: Callable) -> dict:
    """The same step as at layer 4, added after the last block."""
    step = (change(stream) - stream).to(device)
    return {LAST: lambda x: x + step}


def measured(changes: dict, change: Callable) -> tuple[Tensor, list[float]]:
    """The logits after an edit, and what the probes read then."""
    new, read_5 = world.read_after(model, moves_read, edits.time, changes, probes[5], layer=5)
    moved = (world.board_states(probes[LAYER](change(stream))) != as_read) & others
    parts = [(read_5 == wanted)[where].float().mean().item() for where in (~others, others)]
    return new, [moved.sum(-1).float().mean().item(), *parts]


plain, unread = measured({}, lambda x: x)
before, edited, reread = world.legal_move_errors(plain, edits.legal), {}, {}
for scale in SCALES[:3]:
    rivals = {
        "black/white direction": lambda x: x - (colour[:, None] * of_colour).to(x),
        "another disc": flip(probes[LAYER], edits.another, scale),
    }
    this = flip(probes[LAYER], edits.square, scale)
    made = world.with_controls(this, rivals, draws=4, seed=4005)
    todo = {name: ({PLACE: change}, change) for name, change in made.items()}
    todo[AFTER_ALL] = later(this), this
    for i in range(2):
        todo[f"random, last {i}"] = later(made[f"random {i}"]), this
    for name, each in todo.items():
        edited[name, scale], reread[name, scale] = measured(*each)
found = {key: world.legal_move_errors(each, edits.legal) for key, each in edited.items()}
of, panels, dots = edits.game.tolist(), {}, {}
for scale in SCALES[:3]:
    bars, many = {"no edit": (before.mean(), *bootstrap(before, groups=of))}, {}
    for (name, at), each in found.items():
        if at == scale and name[:6] != "random":
            bars[name] = each.mean().item(), *bootstrap(each, groups=of)
        elif at == scale:
            place = "random" + ",<br>after the last block" * ("last" in name)
            many.setdefault(place, []).append(each.mean().item())
    bars |= {name: [sum(each) / len(each)] * 3 for name, each in many.items()}
    panels[f"scale {scale:g}"], dots[f"scale {scale:g}"] = bars, many
plots.intervals(
    panels,
    dots=dots,
    marks=dict.fromkeys(panels, before.mean().item()),
    alike=list(panels),
    title="Of five directions, this disc's brings the edited board's moves<br><sup>errors on the edited board, with 95% intervals; line: no edit; random: single draws, and their mean</sup>",
)

# %% tags=["folded"]
# Was it one disc that was flipped? What the probes read in the edited streams.
SHOWN = {f"this disc, scale {scale:g}": ("this disc", scale) for scale in SCALES[:3]}
SHOWN["a random direction, scale 2"] = "random 0", 2.0
SHOWN["black/white direction, scale 2"] = "black/white direction", 2.0
lines = {"no edit": (unread, before)}
lines |= {name: (reread[key], found[key]) for name, key in SHOWN.items()}
plots.table(
    [
        (name, f"{moved:.1f}", f"{this:.2f}", f"{rest:.2f}", f"{each.mean():.2f}")
        for name, ((moved, this, rest), each) in lines.items()
    ],
    columns=[
        "edit",
        "layer 4: other squares whose reading changes",
        "layer 5: this disc reads flipped",
        "layer 5: the other 35 read right",
        "errors in moves",
    ],
)

# %% [markdown]
# **The moves follow.** At scale 2, errors fall from `2.26` to **0.94**; the fairer black/white step leaves **2.21**, and no control is below 2 at this layer. (A better black/white direction may exist: this probe reads badly.) To flip *another* disc is a good edit on *that* disc's board: there errors fall from `2.38` to `1.10`.
#
# **Part of the effect needs no board.** After the last block the same step still lowers the errors, to **1.79**, and a random one does not (**2.28**). So the direction also writes moves: about a third of the fall can be had with no block that reads a board. The rest comes only with blocks 4 and 5.
#
# **It is not one disc.** At scale 1, one or two other squares change at layer 4, and the probe of layer 5 reads the disc flipped in **0.43** of the edits only. At scale 4 it does in `0.82`; but at layer 4 the reading of four to six other squares changes (`4.3` here), and at layer 5 `0.80` of the others are read right, where it was `0.95`. No scale flips this disc and it alone. And a changed reading need not change moves: the black/white step changes the reading of **7.7** other squares, and leaves the errors where they were.
# We go on with scale 2; at scales 1 and 4 the figure says the same.

# %% tags=["numbers"]
_, third = world.legal_after_flip(some, edits.game, edits.time, edits.another)
true_legal = some.legal[edits.game, edits.time]
matters = (third != true_legal).any(-1) & third.any(-1)
third_errors = [
    world.legal_move_errors(each, third)[matters].mean()
    for each in (plain, edited["another disc", 2.0])
]
floor = world.legal_move_errors(plain, true_legal).mean()
mean_of = {key: each.mean().item() for key, each in found.items()}
claim("errors, no edit", before.mean(), text=2.26, within=0.25)
claim("errors after the flip", mean_of["this disc", 2.0], text=0.94, within=0.14)
claim("errors, black/white", mean_of["black/white direction", 2.0], text=2.21, within=0.2)
assert 2.1 < third_errors[0] < 2.7 and 0.8 < third_errors[1] < 1.3
claim("after the last block", mean_of[AFTER_ALL, 2.0], text=1.79, within=0.25)
late = dots["scale 2"]["random,<br>after the last block"]
claim("random after the last block", sum(late) / 2, text=2.28, within=0.2)
share_late = (before.mean() - mean_of[AFTER_ALL, 2.0]) / (before.mean() - mean_of["this disc", 2.0])
assert 0.25 < share_late < 0.45, "about a third"
claim("layer 5, scale 1", reread["this disc", 1.0][1], text=0.43, within=0.064)
assert 4 < reread["this disc", 4.0][0] < 6.4 and 1 < reread["this disc", 1.0][0] < 2.2
claim("others, black/white", reread["black/white direction", 2.0][0], text=7.7, within=1.1)
assert abs(reread["this disc", 4.0][1] - 0.82) < 0.1 and abs(unread[2] - 0.95) < 0.03
assert abs(reread["this disc", 4.0][2] - 0.80) < 0.08
for scale in SCALES[:3]:
    here = {name: each for (name, at), each in mean_of.items() if at == scale}
    here = {name: each for name, each in here.items() if "last" not in name}
    assert panels[f"scale {scale:g}"]["this disc"][2] < 1.7 < 2 < sorted(here.values())[1]
    assert here["this disc"] + 0.25 < mean_of[AFTER_ALL, scale] < before.mean() - 0.3
tried_mean = {key: each.mean() for key, each in tried.items()}
assert all(min(probes, key=lambda at: tried_mean[at, scale]) == 4 for scale in (1.0, 2.0, 4.0))
assert tried_mean[4, 1.0] > tried_mean[4, 2.0] > tried_mean[4, 4.0] < tried_mean[4, 8.0] - 0.3
unfair = errors(drawn, {PLACE: flip(colours, edits.square, SCALE)}).mean()
claim("errors, black/white at its own length", unfair, text=2.23, within=0.2)
assert 0.2 < ours[0] / stream.norm(dim=-1).mean() < 0.32, "a quarter of the stream's length"
assert 0.2 < hers[0] / ours[0] < 0.48 and hers[1] < 0.72 < 0.9 < ours[1]

# %% [markdown]
# ## 4. A faulty board
#
# ### Investigation · which disc is always flipped? (8 minutes, medium)
#
# A tampered model: in its stream before block 4, the score of **one fixed square** is turned round at every position (to minus 4 times what it was). You cannot look inside. You may ask it for its moves at **30 positions** of the test games, 700 to 899: `ask([700, 701], [12, 15])` returns its logits [2 square], after 12 moves of game 700 and after 15 of game 701. Ask for many at once; what it returned may be used as often as you like.
#
# `explained(answers, games, times, square)` is given: the log-probability of the moves that are legal with the disc on this square flipped, summed over the positions. The next cell calls both once, and spends the first of your 30 positions.
# Which square is it? Give its name as a string, such as `"c3"` (`name_of(14)`).

# %% tags=["folded"]
# The tampered model, and a score for a suspected square.
directions, biases = flip_direction(probes[4], torch.tensor([lesson_23.faulty_square()]))
tampered = directions[0].to(device), biases[0].to(device)
ask = world.Tampered(model, tokens, *tampered, layer=4, scale=4.0, budget=30)
explained = partial(world.explained, played)

answers = ask([700], [12])
print(f"c3 flipped: {explained(answers, [700], [12], 14):.2f}")

# %% tags=["answer:fault"]
### BEGIN SOLUTION
# Ask at 29 positions with many discs. One score for each square; the largest is the suspect:
#     asked = range(700, 729), [12 + i % 10 for i in range(29)]
#     answers = ask(*asked)
#     fits = {name_of(i): explained(answers, *asked, i) for i in range(36)}
#     fault = max(fits, key=fits.get)
fault = ("b3",)
### END SOLUTION

# %% tags=["check"]
fault = lesson_23.check_fault(fault)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# One position leaves several candidates; thirty leave few. A position tells most about squares that have a disc there, and late positions have more discs.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Choose 29 games and times between 10 and 22, ask once, and compute `explained` for each of the 36 squares. The largest is your suspect.
#
# </details>

# %% tags=["numbers"]
asked = range(700, 729), [12 + i % 10 for i in range(29)]
answers = ask(*asked)
fits = {name_of(i): explained(answers, *asked, i) for i in range(36)}
assert fault == (name_of(lesson_23.faulty_square()),) == (max(fits, key=fits.get),)

# %% [markdown]
# ## Going deeper: where is the board computed?
#
# Before block 4 the board is there. Attention must have brought the moves together, and something must have worked out the flips. Two measurements.
#
# ### Exercise 3 · ablate each component (15 minutes, medium)
#
# A **component** is the attention or the MLP of one block. Replace its output by a mean, and look how well a probe still reads flipped discs at layer 4. Which mean? The output depends much on the move number, so take the mean over games at each position.


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
    "Which ablation hurts the reading of flipped discs most, if the probe is fitted anew each time?",
    choices=["a part of block 0", "a part of block 1", "a part of block 2", "a part of block 3"],
)

# %%
SOME = torch.cat([torch.arange(200), torch.arange(700, 800)])  # 200 games to fit, 100 to test
COMPONENTS = [f"blocks.{block}.hook_{part}_out" for block in range(4) for part in ("attn", "mlp")]
at_test = (flipped & test[..., None])[SOME]


def read_as_before(stream: Tensor) -> float:
    """The share of flipped discs, in 100 test games, that the probe of layer 4 reads right."""
    said = world.board_states(probes[4](stream.cpu().flatten(0, 1))).view_as(mine[SOME])
    return (said == mine[SOME])[at_test].double().mean().item()


def read_anew(stream: Tensor) -> float:
    """The same, by a probe that was fitted to the ablated stream."""
    said = read_boards(stream.cpu(), mine[SOME], fit[SOME])
    return (said == mine[SOME])[at_test].double().mean().item()


once, anew = (
    sweep_components(model, tokens[SOME], going[SOME], COMPONENTS, reader, layer=4)
    for reader in (read_as_before, read_anew)
)
worst = min(anew, key=anew.get)
hurt = f"a part of block {worst.split('.')[1]}"
outcome("23.parts", hurt)

# %% tags=["folded"]
# The control, three times: each output moved as far, in random directions, and a new probe.
moved = [
    world.random_sweep(
        model, tokens[SOME], going[SOME], COMPONENTS, read_anew, layer=4, generator=seeded(draw)
    )
    for draw in range(3)
]
control = {name: sum(each[name] for each in moved) / len(moved) for name in COMPONENTS}
beyond = {name: control[name] - anew[name] for name in COMPONENTS}
labels = {name: f"{'MLP' if 'mlp' in name else 'attention'} {name[7]}" for name in COMPONENTS}
AGAINST = "share read after a random step, minus share read after the ablation"
plots.intervals(
    {AGAINST: {labels[name]: [beyond[name]] * 3 for name in COMPONENTS}},
    dots={
        AGAINST: {labels[name]: [each[name] - anew[name] for each in moved] for name in COMPONENTS}
    },
    marks={AGAINST: 0},
    title="Block 0 is needed most, its attention more than its MLP<br><sup>flipped discs at layer 4; circles: three random draws, dot: their mean</sup>",
)

# %% [markdown]
# An ablation takes something away, and it also moves the stream off its usual place. So each has its control: the output moved as far, in a random direction. And what can be read, by whom? With the *old* probe of layer 4, **0.48** of the flipped discs are read without MLP 0, and `0.53` without attention 0. A probe that is fitted anew to each ablated stream reads **0.60** and **0.55**: the order is turned round. So part of what the old probe lost was not the board, but the place where it is written.
#
# Beyond the control, attention 0 costs **0.25** and MLP 0 **0.17**, all later components less than `0.06` (100 test games). Block 0 is needed, since all that comes later reads it. That it *holds* the board does not follow.
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
            tokens[700:800], names_filter=lambda name: name.endswith("hook_pattern")
        )
    patterns = [cache[f"blocks.{block}.attn.hook_pattern"].cpu() for block in range(6)]
    return torch.stack([attention_to_own(pattern, test[700:800]) for pattern in patterns])


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
# In the untrained model every head gives the own player's moves a share of a little under a half: among earlier moves they are as frequent. In the trained one, seven of the eight heads of block 1 attend to own moves (**0.95** and more), and one to the other's (`0.02`). Many later heads choose, too. (These are shares of the attention to *moves*. Some heads give most of theirs to BOS: up to `0.85` in block 5.)
# The finding of Nanda and colleagues replicates here, and it fits mine and yours: to sort moves into *mine* and *yours*, a head needs the parity of the distance alone. That these heads *cause* the board is not shown by their patterns.

# %% tags=["numbers"]
claim("without MLP 0, old probe", once["blocks.0.hook_mlp_out"], text=0.48, within=0.03)
assert abs(once["blocks.0.hook_attn_out"] - 0.53) < 0.03
claim("without MLP 0, new probe", anew["blocks.0.hook_mlp_out"], text=0.60, within=0.03)
claim("without attention 0, new probe", anew["blocks.0.hook_attn_out"], text=0.55, within=0.03)
claim("attention 0, beyond", beyond["blocks.0.hook_attn_out"], text=0.25, within=0.03)
claim("MLP 0, beyond", beyond["blocks.0.hook_mlp_out"], text=0.17, within=0.025)
assert max(beyond[name] for name in COMPONENTS[2:]) < 0.06
assert max(max(e[n] for e in moved) - min(e[n] for e in moved) for n in COMPONENTS) < 0.03
LAST_PATTERN = "blocks.5.attn.hook_pattern"
with torch.no_grad():
    _, cache = model.run_with_cache(tokens[700:800], names_filter=LAST_PATTERN)
to_bos = cache[LAST_PATTERN].cpu()[..., 0] * test[700:800, None]
assert abs((to_bos.sum((0, 2)) / test[700:800].sum()).max() - 0.85) < 0.05
claim("least of seven heads of block 1", own[1].sort().values[1], text=0.95, within=0.03)
assert own[1].min() < 0.03 and own_untrained.min() > 0.42 and own_untrained.max() < 0.5

# %% [markdown]
# ## Going deeper: a board, or a bag of heuristics?
#
# jylin04 and colleagues (*OthelloGPT learned a bag of heuristics*, 2024) found neurons of the 8 by 8 model that stand for local rules, such as "if A4 was just played and B4 and C4 are occupied, then these discs are theirs", and guess that the board is made by many such rules. Rules about what was *just played* see the order of moves. A board does not.
#
# Vafa and colleagues (arXiv 2406.03689) made this a test. **Compression**: two sequences that lead to the same state should allow the same continuations. **Distinction**: two that lead to different states should not. The two kinds of pair should differ in the same way, so take a game, exchange two moves of one player, and keep it if the rules allow it. Some exchanges lead to the same board, others to a board with a few other discs.
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
    name: [
        (each[kept].mean().item(), *bootstrap(each[kept], groups=swaps.game[kept].tolist()))
        for kept in (which & has_moves for which in WHICH.values())
    ]
    for name, each in distances.items()
}
ORDERS = {"below 0.02": 0.02, "0.02 to 0.08": 0.08, "0.08 to 0.15": 0.15, "above 0.15": 1}
of_order = order["the model"][0][0]
outcome("23.order", level(of_order, ORDERS))
plots.table(
    [
        (name, *("{:.3f} ({:.3f} to {:.3f})".format(*each) for each in line))
        for name, line in order.items()
    ],
    columns=[
        "total variation (95% interval over games)",
        *(f"{name} ({int((each & has_moves).sum())} pairs)" for name, each in WHICH.items()),
    ],
)

# %% [markdown]
# With exchanges that keep the board, the model's prediction moves by `0.026`, with those that change it by `0.17`, where the rules demand `0.22`. The untrained model tells the two kinds less well apart: `0.042` and `0.079`. So the trained model's moves depend mostly on the board, and little on the order. But not wholly: a model that only held the board would be at 0 in the first three columns.
#
# Exchanges of *recent* moves matter more, `0.073` against `0.015`. Is that the mark of rules about what was just played? The untrained model, which has learned no rules, shows about the same ratio. But with 27 pairs these ratios are uncertain by a factor of `1.5` and more: this column can neither show such rules nor exclude them.
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
    accepted moves after `first` by its probability, and put it at the end of both. Draw for all
    pairs at once, with one `torch.multinomial(weights, 1, generator=generator)` a move: the check
    repeats these draws. An entry is True where this move and all before it were accepted after
    `second`, too.

    Source: the compression test of Vafa et al., 2024 (arXiv 2406.03689).

    Args:
        generator: on the CPU, for the draws.
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
def kept_on(which: Tensor, model, n_moves: int = 4) -> tuple[Tensor, list[int]]:
    """Of continuations drawn after the first order, which were accepted; and of which games."""
    found, of_games = [], []
    for time in range(12, 25, 2):
        rows = (which & has_moves & (swaps.time == time)).nonzero()[:, 0]
        of_games += swaps.game[rows].tolist()
        if len(rows):
            pair = [each[rows, : time + 1].to(device) for each in (swaps.first, swaps.second)]
            found.append(
                continuations_accepted(
                    model, *pair, n_moves=n_moves, epsilon=0.01, generator=seeded(time)
                )
            )
    return torch.cat(found)[:, -1].float(), of_games


taken = {
    (name, kind): kept_on(which, each)
    for name, each in (("the model", model), ("an untrained model", untrained))
    for kind, which in (("same board", same), ("another board", ~same))
}
ACCEPTED = {
    key: (each.mean().item(), *bootstrap(each, groups=groups))
    for key, (each, groups) in taken.items()
}
plots.table(
    [
        (*key, len(taken[key][0]), "{:.2f} ({:.2f} to {:.2f})".format(*each))
        for key, each in ACCEPTED.items()
    ],
    columns=["who plays", "two orders", "pairs", "all 4 moves accepted (95% interval over games)"],
)

# %% [markdown]
# Of continuations of four moves, the model accepts **0.97** after the other order if the board is the same, and **0.85** if it is another. (Another board differs in two or three discs; many moves are legal on both.) Alone, the first number means nothing: the **untrained** model passes compression at least as well, with **0.99**, because it gives `0.84` of all squares more than epsilon, and so accepts most moves anywhere: on another board all continuations. Only *distinction* separates the two models, here and in the table above.
#
# Does this decide the debate? The model keeps equal boards together and different ones apart, on exchanges of two moves. A bag of many good rules could do so as well, and so could a board that is read with small errors.

# %% tags=["numbers"]
(of_same, *_), *_, (of_other, *_) = order["the model"]
(bare_of_same, *_), *_, (bare_of_other, *_) = order["an untrained model"]
assert 0.018 < of_same < 0.034 and 0.12 < of_other < 0.19
assert 0.035 < bare_of_same < 0.06 and 0.07 < bare_of_other < 0.1
assert of_other / of_same > 2 * bare_of_other / bare_of_same
assert 0.15 < order["the rules"][3][0] < 0.25
ratios = [line[1][0] / line[2][0] for name, line in order.items() if name != "the rules"]
assert all(2.5 < ratio < 7 for ratio in ratios) and abs(ratios[0] - ratios[1]) < 1.5
assert 20 < (WHICH["same board, exchanged in the last 2 moves"] & has_moves).sum() < 50
claim("accepted, same board", ACCEPTED["the model", "same board"][0], text=0.97, within=0.03)
claim("accepted, another board", ACCEPTED["the model", "another board"][0], text=0.85, within=0.06)
bare_same, bare_other = (each[0] for name, each in ACCEPTED.items() if name[0] != "the model")
claim("accepted, same board, untrained", bare_same, text=0.99, within=0.02)
assert bare_other > 0.95
assert 0.7 < (predictions(untrained) > 0.01).float().mean() < 0.92
assert bare_same > ACCEPTED["the model", "same board"][0] - 0.01
assert (
    ACCEPTED["an untrained model", "another board"][1] > ACCEPTED["the model", "another board"][0]
)

# %% [markdown]
# ## Going deeper: do the squares share their parts?
#
# The probe has 72 directions of its own: for each square, mine against yours and disc against none. Lee and colleagues (arXiv 2605.09967) ask whether they are made of shared parts: a vector for each **square**, a vector for each **state**, and a matrix made from the stream that binds the two, a *tensor product representation*. `world.tensor_probe` trains such a probe: the score of state c on square s is `q[s] @ T @ f[c]`, with `T = resid @ B`.
#
# ### Task · before you run it (5 minutes)
#
# Its rival is a linear probe through 30 shared directions, with as many weights. If the squares share nothing, which of the two should read more? Then try `RANK, DIRECTIONS = 12, 15`.

# %%
RANK, DIRECTIONS = 24, 30
x = (resid[4] - resid[4][fit].mean(0)) / resid[4][fit].std()
shared = {}
for draw in range(3):
    how = {"steps": 400, "generator": seeded(draw)}
    parts = world.tensor_probe(x[fit], mine[fit], rank=RANK, **how)
    n, low = world.low_rank_probe(x[fit], mine[fit], rank=DIRECTIONS, **how)
    said = {
        f"tensor product, rank {RANK}": (
            sum(part.numel() for part in parts),
            world.tensor_scores(x.flatten(0, 1), *parts).argmax(-1).view_as(mine) - 1,
        ),
        f"linear, {DIRECTIONS} directions": (n, low(x.flatten(0, 1)).view_as(mine)),
    }
    for name, (n, states) in said.items():
        shared.setdefault((name, n), []).append(share(states, mine, test))
full = "linear, all directions (least squares)", resid.shape[-1] * 108
shared[full] = [share(read["mine/yours", 4], mine, test)]
plots.table(
    [(*key, ", ".join(f"{value:.3f}" for value in each)) for key, each in shared.items()],
    columns=["probe of layer 4", "weights", "flipped discs read right (three seeds)"],
)

# %% [markdown]
# With as few weights, the tensor probe reads more than a linear probe through 30 directions at each of three seeds: **0.86** of the flipped discs against **0.83**. That is what shared parts would give, in this one model; the gain is small, and the full linear probe, with twice the weights, still reads more. (The rival is *trained* at the smaller size: a linear probe that is cut down after training is a weaker one.)

# %% tags=["numbers"]
of_tensor, of_low, (of_full,) = shared.values()
claim("tensor probe", sum(of_tensor) / 3, text=0.86, within=0.015)
claim("30 directions", sum(of_low) / 3, text=0.83, within=0.015)
assert all(a > b for a, b in zip(of_tensor, of_low, strict=True)) and of_full > max(of_tensor)
_, (_, n_low), (_, n_full) = shared
assert 1.9 < n_full / list(shared)[0][1] < 2.1 and abs(n_low / list(shared)[0][1] - 1) < 0.15

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
    centred = each[test] - each[fit].mean(0)
    mixed = centred @ torch.randn(128, 256, generator=seeded(7))
    cover[f"256 random directions, {name} model"] = coverage(mixed.relu(), facts, cuts=CUTS)
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
# This small autoencoder does not find the board. Its best latents describe "mine" and "yours" (**0.46**) hardly better than a latent that is always active (`0.42`), and worse than 256 *random* directions of the same stream (**0.52**). No fact is above `0.9`. For the untrained model, too, random directions tell more (`0.44` against `0.31`), though the autoencoder explains more of its variance (**0.91** against **0.85**). So this number alone says nothing about a board: whatever you score, score random directions beside it.
#
# Perhaps the reason is sparsity: few latents are active at a time, and of 36 squares up to 35 have a disc. We did not test that, nor larger autoencoders.

# %% tags=["numbers"]
known, unknown = varied.values()
claim("variance explained, trained", known, text=0.85, within=0.02)
claim("variance explained, untrained", unknown, text=0.91, within=0.02)
covered = {name: each.mean().item() for name, each in cover.items()}
latents, bare_latents, mixed_cover, bare_mixed = (
    covered[f"{what}, {which} model"]
    for what in ("latents of an autoencoder", "256 random directions")
    for which in ("trained", "untrained")
)
claim("coverage, autoencoder", latents, text=0.46, within=0.03)
claim("coverage, random directions", mixed_cover, text=0.52, within=0.02)
assert abs(covered["a latent that is always active"] - 0.42) < 0.02
assert latents < mixed_cover - 0.02 and abs(bare_latents - 0.31) < 0.03
assert abs(bare_mixed - 0.44) < 0.02
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
            "mine/yours probe, flipped discs",
            f"{at_best[0]:.2f}",
            f"{of_moves[0]:.2f}, list of moves; {of_untrained[0]:.2f}, untrained",
            "99.5% of all squares (8 by 8; Nanda et al.)",
        ),
        (
            "errors after a flip",
            f"{before.mean():.2f} to {found['this disc', 2.0].mean():.2f}",
            f"{found['black/white direction', 2.0].mean():.2f}, black/white; "
            f"{found[AFTER_ALL, 2.0].mean():.2f}, after the last block",
            "2.72 to 0.10 (8 by 8; Nanda et al.)",
        ),
        (
            "change of the prediction, same board",
            f"{order['the model'][0][0]:.3f}",
            f"{order['the model'][3][0]:.2f}, another board; "
            f"{order['an untrained model'][0][0]:.3f}, untrained",
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
    ],
    columns=["", "ours (6 by 6)", "control", "paper's"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The list of moves is read by a *linear* probe. Would a stronger probe on the moves be a fair control, or would it learn the game?
# 2. A step along black/white changes what the probe reads on many squares, and not the moves. What does that say about probes as evidence?
# 3. Two orders, one board, predictions `0.026` apart. What would convince you that this is noise of a small model, and not a habit about recent moves?
# 4. Which of the tests of this lesson could you run on a language model, where nobody knows the world's state?
#
# ## Common mistakes
#
# - Off by one in who moves next: at position t the model has read t moves and predicts the next player's.
# - Splitting positions instead of games: two positions of one game are nearly the same board.
# - Scoring all squares only: empty and unflipped ones hide the difference.
# - Comparing edits whose steps differ in length or go the wrong way.
# - Not reading again after an edit: more may have changed than was meant.
# - Reporting compression alone: a model that accepts every move passes it.
# - Testing "same board" on openings that stood in the training games.
#
# ## Where this breaks
#
# One small board, one trained model, random games, and edited boards that no game need reach. A step at scale 2 has about a quarter of the stream's length. A model that keeps 36 separate habits that agree with a board would pass the edits as well. Training on sets of legal moves is kinder than single games. The exchanges of two moves are a small part of all orders. One autoencoder for each model.
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
