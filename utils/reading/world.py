"""Reading and changing a known world inside a model: affine probes, boards, edits of a board.

Boards are `[..., square]`: 1, -1 and 0, as in `utils.othello` (black, white, empty) or relative to
the player to move (mine, yours, empty).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.othello.task import NO_MOVE, SQUARES, Played, legal_moves, start


def affine_fit(
    inputs: Float[Tensor, "example feature"],
    targets: Float[Tensor, "example target"],
    *,
    ridge: float = 1e-6,
) -> Float[Tensor, "feature_and_one target"]:
    """Least-squares weights from `inputs` to `targets`; the last row is the bias.

    They minimise the sum of squared errors plus `ridge` times the sum of squared weights, without
    the bias. In closed form, and in double precision.
    """
    inputs, targets = inputs.double(), targets.double()
    inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
    penalty = torch.full_like(inputs[0], ridge)
    penalty[-1] = 0
    return torch.linalg.solve(inputs.T @ inputs + penalty.diag(), inputs.T @ targets)


def affine_predict(
    inputs: Float[Tensor, "example feature"], weights: Float[Tensor, "feature_and_one target"]
) -> Float[Tensor, "example target"]:
    """What `affine_fit`'s weights predict for other inputs, in double precision."""
    return inputs.double() @ weights[:-1] + weights[-1]


# ---- Boards -------------------------------------------------------------------------------------


def relative_board(board: Int[Tensor, "game time square"]) -> Int[Tensor, "game time square"]:
    """The boards as the player to move sees them: 1 mine, -1 yours, 0 empty.

    Time t is after t moves, from the opening on; black (1) moves first, and nobody passes.
    Source: Nanda et al., 2023 (arXiv 2309.00941).
    """
    black_to_move = torch.arange(board.shape[1], device=board.device) % 2 == 0
    return torch.where(black_to_move[:, None], board, -board)


def placed_by(games: Int[Tensor, "game move"]) -> Int[Tensor, "game time square"]:
    """Who put a disc on each square: 1, -1, or 0 for nobody. The turning over of discs is left out.

    Black makes the even moves, counted from 0. Times as in `utils.othello.replay`.
    """
    placed = start().repeat(len(games), games.shape[1] + 1, 1)
    for time, move in enumerate(games.unbind(1)):
        rows = (move != NO_MOVE).nonzero()[:, 0]
        placed[rows, time + 1 :, move[rows]] = 1 if time % 2 == 0 else -1
    return placed


def one_hot_states(board: Int[Tensor, "example square"]) -> Float[Tensor, "example square_state"]:
    """What a board probe is fitted to: for each square three numbers, one of them 1.

    In the order of the states -1, 0, 1; `board_states` turns predictions of them into boards.
    """
    return torch.nn.functional.one_hot(board.long() + 1, 3).double().flatten(-2)


def board_states(predicted: Float[Tensor, "example square_state"]) -> Int[Tensor, "example square"]:
    """The board whose states are predicted highest."""
    return predicted.unflatten(-1, (-1, 3)).argmax(-1) - 1


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


# ---- Edits --------------------------------------------------------------------------------------


def flip_direction(
    weights: Float[Tensor, "feature_and_one square_state"], square: Int[Tensor, " example"]
) -> tuple[Float[Tensor, "example feature"], Float[Tensor, " example"]]:
    """Along what a board probe tells state 1 from -1 on a square, and where it draws the line.

    Returns:
        direction: the difference of the two states' weights.
        bias: the difference of their biases; `resid @ direction + bias` is positive for state 1.
    """
    states = weights.unflatten(1, (-1, 3))[:, square]
    difference = (states[..., 2] - states[..., 0]).T
    return difference[:, :-1], difference[:, -1]


def flip_along(
    resid: Float[Tensor, "example d_model"],
    direction: Float[Tensor, "example d_model"],
    bias: Float[Tensor, " example"],
    scale: float,
) -> Float[Tensor, "example d_model"]:
    """The residual stream moved along `direction` until its score is `-scale` times what it was.

    The score is `resid @ direction + bias`. Scale 1 mirrors it at the line between the two states;
    what stands at right angles to the direction stays.
    """
    score = (resid * direction).sum(-1) + bias
    step = (1 + scale) * score / direction.pow(2).sum(-1)
    return resid - step[:, None] * direction


def flipper(
    weights: Float[Tensor, "feature_and_one square_state"],
    square: Int[Tensor, " example"],
    *,
    scale: float,
) -> Callable[[Tensor], Tensor]:
    """The change of the residual stream [example, d_model] that flips a square for each example.

    Along the direction of the board probe `weights`, by `flip_along`.
    """
    direction, bias = flip_direction(weights, square)
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


def legal_move_errors(
    logits: Float[Tensor, "example square"], legal: Bool[Tensor, "example square"]
) -> Float[Tensor, " example"]:
    """Wrong moves among the model's first N, plus legal moves missing from them; N is the number of
    legal moves. Source: Li et al., 2022 (arXiv 2210.13382)."""
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


def legal_after_flip(
    played: Played,
    game: Int[Tensor, " edit"],
    time: Int[Tensor, " edit"],
    square: Int[Tensor, " edit"],
) -> tuple[Int[Tensor, "edit square"], Bool[Tensor, "edit square"]]:
    """The boards with the disc on a square turned over, and what the player to move may then play.

    Such a board need not be one that a game can reach.
    """
    board = played.board[game, time]
    board[torch.arange(len(board)), square] *= -1
    return board, legal_moves(board, played.player[time])


def draw_edits(played: Played, *, n: int, generator: torch.Generator) -> Edits:
    """Up to `n` edits at random: a position after 4 to 27 moves, and an occupied square in it.

    Only those are kept that change the legal moves, and leave some.
    """
    n_games = len(played.board)
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


def logits_after(
    model,
    tokens: Int[Tensor, "example time"],
    time: Int[Tensor, " example"],
    changes: Mapping[str, Callable[[Tensor], Tensor]],
) -> Float[Tensor, "example square"]:
    """The model's logits at one time of each game, with the residual stream changed there.

    Args:
        time: for each example the position to change and to read.
        changes: hook name -> what to make of the residual stream [example, d_model].
    """
    rows = torch.arange(len(time), device=tokens.device)

    def hook(change):
        def changed(resid, hook):
            resid = resid.clone()
            resid[rows, time] = change(resid[rows, time])
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
    probes: Mapping[int, Float[Tensor, "feature_and_one square_state"]],
    scale: float,
    how: str = "flip",
    generator: torch.Generator,
) -> Float[Tensor, "edit square"]:
    """The model's logits after an edit of the residual stream after each layer of `probes`.

    Args:
        tokens: the moves that the model has read in each edit's game.
        probes: layer -> the board probe along whose directions to step.
        how: "flip" the edit's square, "another square", the "opposite" of the flip's step, or a
            "random" direction with steps as long.
        generator: for random directions.

    Raises:
        ValueError: `how` is none of these.
    """
    if how not in ("flip", "another square", "opposite", "random"):
        raise ValueError(f'how is "flip", "another square", "opposite" or "random", not {how!r}.')
    changes = {}
    for layer, probe in probes.items():
        square = edits.another if how == "another square" else edits.square
        change = flipper(probe, square, scale=scale)
        if how == "random":
            change = in_random_direction(change, generator=generator)
        elif how == "opposite":
            change = opposite(change)
        changes[f"blocks.{layer}.hook_resid_post"] = change
    return logits_after(model, tokens, edits.time.to(tokens.device), changes).cpu()
