"""Reading and changing a known world inside a model: boards to probe for, and edits of a board.

Boards are `[..., square]`: 1, -1 and 0, as in `data.othello.task` (black, white, empty) or relative
to the player to move (mine, yours, empty). A board probe is an affine map to `one_hot_states`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.othello.task import (
    NO_MOVE,
    SQUARES,
    Played,
    discs,
    game_table,
    legal_moves,
    start,
    yes_or_no,
)
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    finite,
    guarded,
    index_of,
    no_zeros,
    number,
    shaped_as,
)
from utils.reading.linear import Affine


def _tokens_of_games(tokens: Tensor, _: Mapping) -> str | None:
    inside = bool(((tokens >= 0) & (tokens <= SQUARES)).all())
    return None if inside else f"holds ids that are not from 0 to {SQUARES}"


def _three_a_square(predicted: Tensor, _: Mapping) -> str | None:
    n = predicted.shape[-1]
    return f"has {n} columns, and a board probe has three a square" if n % 3 else None


def _squares_of_probe(square: Tensor, given: Mapping) -> str | None:
    n = len(given["probe"].bias) // 3
    if len(given["probe"].bias) % 3:
        return "cannot be found: a board probe has three columns a square"
    inside = bool(((square >= 0) & (square < n)).all())
    return None if inside else f"must hold squares from 0 to {n - 1}, which the probe knows"


def _on_a_disc(square: Tensor, given: Mapping) -> str | None:
    board = given["played"].board
    for name, n in zip(("game", "time", "square"), board.shape, strict=True):
        index = given[name]
        if len(index) != len(square) or bool(((index < 0) | (index >= n)).any()):
            return f"and `game` and `time` go together: {name} runs from 0 to {n - 1}"
    empty = (board[given["game"], given["time"], square] == 0).nonzero()[:, 0].tolist()
    return f"is empty in edit {empty[0]}: there is no disc to turn over" if empty else None


@guarded(board=(axes(3), discs))
def relative_board(board: Int[Tensor, "game time square"]) -> Int[Tensor, "game time square"]:
    """The boards as the player to move sees them: 1 mine, -1 yours, 0 empty.

    Source: Nanda et al., 2023 (arXiv 2309.00941).

    Args:
        board: 1 black, -1 white, 0 empty; time 0 is the opening position. Nobody passes.
    """
    black_to_move = torch.arange(board.shape[1], device=board.device) % 2 == 0
    return torch.where(black_to_move[:, None], board, -board)


@guarded(games=game_table)
def placed_by(games: Int[Tensor, "game move"]) -> Int[Tensor, "game time square"]:
    """Who put a disc on each square: 1, -1, or 0 for nobody. The turning over of discs is left out.

    Black makes the even moves, counted from 0. Times as in `data.othello.task.replay`.
    """
    placed = start().repeat(len(games), games.shape[1] + 1, 1)
    for time, move in enumerate(games.unbind(1)):
        rows = (move != NO_MOVE).nonzero()[:, 0]
        placed[rows, time + 1 :, move[rows]] = 1 if time % 2 == 0 else -1
    return placed


@guarded(board=discs)
def one_hot_states(board: Int[Tensor, "example square"]) -> Float[Tensor, "example square_state"]:
    """What a board probe is fitted to: for each square three numbers, one of them 1.

    In the order of the states -1, 0, 1; `board_states` turns predictions of them into boards.
    """
    return torch.nn.functional.one_hot(board.long() + 1, 3).double().flatten(-2)


@guarded(predicted=(_three_a_square, finite))
def board_states(predicted: Float[Tensor, "example square_state"]) -> Int[Tensor, "example square"]:
    """The board whose states are predicted highest."""
    return predicted.unflatten(-1, (-1, 3)).argmax(-1) - 1


@guarded(tokens=(axes(2), _tokens_of_games))
def history(
    tokens: Int[Tensor, "game time"], *, relative: bool
) -> Float[Tensor, "game time feature"]:
    """The moves themselves as features: a one-hot of the square for each number of the move.

    Args:
        tokens: BOS and moves, as the model reads them.
        relative: count the moves back from the present (a linear probe can then tell mine from
            yours by who played), and not from the opening (then black from white).
    """
    n_games, n_time = tokens.shape
    one_hot = torch.nn.functional.one_hot(tokens.long(), SQUARES + 1)[..., :SQUARES].float()
    features = torch.zeros(n_games, n_time, n_time, SQUARES, device=tokens.device)
    for back in range(n_time):
        for now in range(back, n_time):
            features[:, now, back if relative else now - back] = one_hot[:, now - back]
    return features.flatten(-2)


@guarded(square=(axes(1), _squares_of_probe))
def flip_direction(
    probe: Affine, square: Int[Tensor, " example"]
) -> tuple[Float[Tensor, "example feature"], Float[Tensor, " example"]]:
    """Along what a board probe tells state 1 from -1 on a square, and where it draws the line.

    Returns:
        direction: the difference of the two states' weights.
        bias: the difference of their biases; `resid @ direction + bias` is positive for state 1.
    """
    weights = probe.weights.unflatten(1, (-1, 3))[:, square]
    bias = probe.bias.unflatten(0, (-1, 3))[square]
    return (weights[..., 2] - weights[..., 0]).T, bias[:, 2] - bias[:, 0]


@guarded(
    resid=axes(2),
    direction=(shaped_as("resid"), finite, no_zeros),
    bias=(axes(1), as_long_as("resid"), finite),
    scale=number(),
)
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
    score = (resid * direction).sum(-1) + bias
    step = (1 + scale) * score / direction.pow(2).sum(-1)
    return resid - step[:, None] * direction


def flipper(
    probe: Affine, square: Int[Tensor, " example"], *, scale: float
) -> Callable[[Tensor], Tensor]:
    """The change of the residual stream [example, d_model] that flips a square for each example.

    Along the direction of the board probe, by `flip_along`.
    """
    direction, bias = flip_direction(probe, square)
    return lambda resid: flip_along(resid, direction.to(resid), bias.to(resid), scale)


def opposite(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A control for an edit: the same step, the other way."""
    return lambda resid: 2 * resid - change(resid)


def in_random_direction(
    like: Callable[[Tensor], Tensor], *, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """A control for an edit: steps as long as those of `like`, each in a direction of its own.

    Args:
        like: an edit of the residual stream [example, d_model].
    """

    def changed(resid: Tensor) -> Tensor:
        size = (like(resid) - resid).norm(dim=-1, keepdim=True)
        step = torch.randn(resid.shape, generator=generator).to(resid)
        return resid + step / step.norm(dim=-1, keepdim=True) * size

    return changed


@guarded(logits=(axes(2), finite), legal=(shaped_as("logits"), yes_or_no))
def legal_move_errors(
    logits: Float[Tensor, "example square"], legal: Bool[Tensor, "example square"]
) -> Float[Tensor, " example"]:
    """Wrong squares among the N likeliest, plus legal ones missing from them.

    Source: Li et al., 2022 (arXiv 2210.13382).

    Args:
        legal: N is the number of legal moves of each example.
    """
    rank = logits.argsort(-1, descending=True).argsort(-1)
    chosen = rank < legal.sum(-1, keepdim=True)
    return (chosen != legal).sum(-1).float()


@dataclass(frozen=True)
class Edits:
    """Positions in games, with one disc turned over so that other moves become legal.

    Attributes:
        game, time: where, as indices of a `Played`.
        square: whose disc is turned over.
        another: another occupied square there, drawn at random: a control.
        board: after that.
        legal: what the player to move may then play.
    """

    game: Int[Tensor, " edit"]
    time: Int[Tensor, " edit"]
    square: Int[Tensor, " edit"]
    another: Int[Tensor, " edit"]
    board: Int[Tensor, "edit square"]
    legal: Bool[Tensor, "edit square"]


@guarded(square=_on_a_disc)
def legal_after_flip(
    played: Played,
    game: Int[Tensor, " edit"],
    time: Int[Tensor, " edit"],
    square: Int[Tensor, " edit"],
) -> tuple[Int[Tensor, "edit square"], Bool[Tensor, "edit square"]]:
    """The boards with the disc on a square turned over, and what the player to move may then play.

    Such a board need not be one that a game can reach.

    Raises:
        ValueError: there is no disc, or an index lies outside of what was played.
    """
    board = played.board[game, time]
    board[torch.arange(len(board)), square] *= -1
    return board, legal_moves(board, played.player[time])


@guarded(n=count())
def draw_edits(played: Played, *, n: int, generator: torch.Generator) -> Edits:
    """Up to `n` edits at random: a position after 4 to 27 moves, and an occupied square in it.

    Only those are kept that change the legal moves, and leave some.

    Raises:
        ValueError: `played` has no games, or stops before 27 moves.
    """
    n_games, n_times = played.board.shape[:2]
    if n_games == 0 or n_times < 28:
        raise ValueError("Edits are drawn after 4 to 27 moves: replay whole games.")
    game = torch.randperm(n_games, generator=generator).repeat(-(-8 * n // n_games))
    time = torch.randint(4, 28, game.shape, generator=generator)
    game, time = (index[played.going[game, time]] for index in (game, time))
    occupied = (played.board[game, time] != 0).float()
    # Four discs lie there at least, so two can be drawn that differ.
    square, another = torch.multinomial(occupied, 2, generator=generator).unbind(1)
    board, legal = legal_after_flip(played, game, time, square)
    good = (legal != played.legal[game, time]).any(-1) & legal.any(-1)
    kept = good.nonzero()[:n, 0]
    return Edits(game[kept], time[kept], square[kept], another[kept], board[kept], legal[kept])


@guarded(
    model=evaluating, tokens=axes(2), time=(axes(1), as_long_as("tokens"), index_of("tokens", 1))
)
def logits_after(
    model,
    tokens: Int[Tensor, "example time"],
    time: Int[Tensor, " example"],
    changes: Mapping[str, Callable[[Tensor], Tensor]],
) -> Float[Tensor, "example square"]:
    """The model's logits at one time of each game, with the residual stream changed there.

    Args:
        time: for each example the token's position to change and to read.
        changes: hook name -> what to make of the residual stream [example, d_model].

    Raises:
        ValueError: the model has no such hook, or a change returns another shape.
    """
    if unknown := sorted(set(changes) - set(model.hook_dict)):
        raise ValueError(f"This model has no hook {unknown[0]!r}: look at `model.hook_dict`.")
    rows = torch.arange(len(time), device=tokens.device)

    def hook(change):
        def changed(resid, hook):
            resid = resid.clone()
            here = resid[rows, time]
            new = change(here)
            if new.shape != here.shape:
                shapes = tuple(new.shape), tuple(here.shape)
                raise ValueError(f"A change returned shape {shapes[0]}, and was given {shapes[1]}.")
            resid[rows, time] = new
            return resid

        return changed

    hooks = [(name, hook(change)) for name, change in changes.items()]
    with torch.no_grad(), model.hooks(fwd_hooks=hooks):
        return model(tokens)[rows, time]


def edited_logits(
    model,
    tokens: Int[Tensor, "edit time"],
    edits: Edits,
    *,
    probes: Mapping[int, Affine],
    scale: float,
    how: str = "flip",
    generator: torch.Generator,
) -> Float[Tensor, "edit square"]:
    """The model's logits after an edit of the residual stream after each block of `probes`.

    Args:
        tokens: the moves that the model has read in each edit's game.
        probes: block -> the board probe of the stream after it, along whose directions to step.
        how: "flip" the edit's square, "another square", the "opposite" of the flip's step, or a
            "random" direction with steps as long.
        generator: for random directions.

    Raises:
        ValueError: `how` is none of these.
    """
    if how not in ("flip", "another square", "opposite", "random"):
        raise ValueError(f'how is "flip", "another square", "opposite" or "random", not {how!r}.')
    changes = {}
    for block, probe in probes.items():
        square = edits.another if how == "another square" else edits.square
        change = flipper(probe, square, scale=scale)
        if how == "random":
            change = in_random_direction(change, generator=generator)
        elif how == "opposite":
            change = opposite(change)
        changes[f"blocks.{block}.hook_resid_post"] = change
    return logits_after(model, tokens, edits.time.to(tokens.device), changes).cpu()
