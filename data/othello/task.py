"""Othello on a small board: rules, random games, and a network's tokens for them.

    games = random_games(100, generator=torch.Generator().manual_seed(0))
    played = replay(games)           # boards, legal moves and who is to move, before every move
    tokens = to_tokens(games)        # BOS, then a token for each move: what the model reads

Squares are numbered row by row, `0` to `35` on the board of 6 by 6. Colours: black is `1`, white
`-1`, an empty square `0`. Black moves first, the colours take turns, and **a game ends when the
player to move has no legal move**: nobody passes, so the number of moves tells who is to move.
All tensors here are on the CPU.

The game as a test of world models: Li et al., 2022 (arXiv 2210.13382), on 8 by 8.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.guards import as_long_as, axes, count, finite, guarded, number, shaped_as

SIZE = 6
SQUARES = SIZE * SIZE
CENTRE = tuple(SIZE * row + column for row in (2, 3) for column in (2, 3))
MAX_MOVES = SQUARES - len(CENTRE)
BOS = SQUARES  # a token's id is its square; this one opens a game
BLACK, WHITE, EMPTY = 1, -1, 0
NO_MOVE = -1  # in a table of games, after a game's end


def discs(board: Tensor, _: Mapping) -> str | None:
    """A guard: 1, -1 and 0 alone."""
    if bool(((board == BLACK) | (board == WHITE) | (board == EMPTY)).all()):
        return None
    return "holds other numbers than 1 (a disc), -1 (the other colour's) and 0 (none)"


def yes_or_no(value: Tensor, _: Mapping) -> str | None:
    """A guard: a tensor of True and False."""
    return None if value.dtype == torch.bool else f"is {value.dtype}: give True and False"


def game_table(games: Tensor, _: Mapping) -> str | None:
    """A guard: squares, and after a game's end nothing but NO_MOVE."""
    if games.is_floating_point() or games.ndim != 2:
        return f"must be whole numbers [game, move], not {games.dtype} {tuple(games.shape)}"
    if bool(((games < NO_MOVE) | (games >= SQUARES)).any()):
        return f"must hold squares, from 0 to {SQUARES - 1}, and {NO_MOVE} for no move"
    again = (games[:, :-1] == NO_MOVE) & (games[:, 1:] != NO_MOVE)
    return "goes on after a game's end: nobody passes" if bool(again.any()) else None


def _players(player: Tensor, _: Mapping) -> str | None:
    return None if bool((player.abs() == 1).all()) else "holds other numbers than 1 and -1"


@guarded(square=number(low=0, high=SQUARES - 1))
def square_name(square: int) -> str:
    """Such as "c4", for the third column and the fourth row, both counted from the top left."""
    return f"{'abcdef'[square % SIZE]}{square // SIZE + 1}"


def start() -> Int[Tensor, " square"]:
    """The opening position: four discs in the centre, the blacks on the rising diagonal."""
    board = torch.zeros(SQUARES, dtype=torch.int8)
    top_left, top_right, low_left, low_right = CENTRE
    board[[top_right, low_left]] = BLACK
    board[[top_left, low_right]] = WHITE
    return board


@cache
def _rays() -> Int[Tensor, "step direction square"]:
    """The squares that lie in each of 8 directions from a square; SQUARES where the board ends."""
    steps = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if r or c]
    rays = torch.full((SIZE - 1, len(steps), SQUARES), SQUARES)
    for square in range(SQUARES):
        for direction, (down, right) in enumerate(steps):
            for step in range(1, SIZE):
                row, column = square // SIZE + step * down, square % SIZE + step * right
                if 0 <= row < SIZE and 0 <= column < SIZE:
                    rays[step - 1, direction, square] = SIZE * row + column
    return rays


def _captured(along: Int[Tensor, "step ..."]) -> Int[Tensor, "..."]:
    """How many discs turn over along each ray: the other's (-1) without a gap, then an own (1)."""
    row, count = along[0] == -1, torch.zeros_like(along[0])
    for step in range(1, len(along)):
        count += step * (row & (along[step] == 1))
        row &= along[step] == -1
    return count


def _with_edge(board: Int[Tensor, "game square"]) -> Int[Tensor, "game square_or_edge"]:
    """The board and one more place, which stands for all that lies beyond it: nobody's."""
    return torch.cat([board, torch.zeros_like(board[:, :1])], dim=1)


@guarded(board=(axes(2), discs), player=(as_long_as("board"), _players))
def legal_moves(
    board: Int[Tensor, "game square"], player: Int[Tensor, " game"]
) -> Bool[Tensor, "game square"]:
    """Where `player` (1 or -1) may put a disc: on empty squares, if it turns at least one over."""
    along = (_with_edge(board) * player[:, None]).T.contiguous()[_rays()]  # games last: fast
    return (board == EMPTY) & (_captured(along) > 0).any(0).T


@guarded(
    board=(axes(2), discs),
    player=(as_long_as("board"), _players),
    move=as_long_as("board"),
)
def play(
    board: Int[Tensor, "game square"], player: Int[Tensor, " game"], move: Int[Tensor, " game"]
) -> Int[Tensor, "game square"]:
    """The boards after each player's move; a game whose move is `NO_MOVE` stays as it is.

    Raises:
        ValueError: a move is on no square of the board, on a taken one, or turns nothing over.
    """
    moving = move != NO_MOVE
    if ((move < NO_MOVE) | (move >= SQUARES)).any():
        raise ValueError(f"A move is a square from 0 to {SQUARES - 1}, or {NO_MOVE} for none.")
    square = move.clamp(min=0).long()
    padded = _with_edge(board)
    rays = _rays()[:, :, square]  # [step, direction, game]
    along = padded.T.gather(0, rays.flatten(0, 1)).view_as(rays) * player
    captured = _captured(along)
    taken = padded.gather(1, square[:, None])[:, 0] != EMPTY
    wrong = moving & (taken | (captured == 0).all(0))
    if wrong.any():
        game = int(wrong.nonzero()[0])
        raise ValueError(f"{square_name(int(square[game]))} is not a legal move in game {game}.")
    turned = torch.arange(len(rays)).view(-1, 1, 1) < captured
    changed = torch.where(turned, rays, SQUARES).flatten(0, 1).T
    changed = torch.cat([changed, square[:, None]], dim=1)
    changed = torch.where(moving[:, None], changed, SQUARES)
    return padded.scatter(1, changed, player[:, None].expand_as(changed).to(board.dtype))[:, :-1]


@guarded(n_games=count())
def random_games(n_games: int, *, generator: torch.Generator) -> Int[Tensor, "game move"]:
    """Games in which every move is drawn from the legal ones, all alike.

    Returns:
        The squares played, `NO_MOVE` after a game's end. `MAX_MOVES` columns.
    """
    board = start().repeat(n_games, 1)
    player = torch.ones(n_games, dtype=torch.int8)
    over = torch.zeros(n_games, dtype=torch.bool)
    moves = []
    for _ in range(MAX_MOVES):
        legal = legal_moves(board, player)
        over = over | ~legal.any(-1)  # who cannot move has ended the game, for good
        weight = torch.where(over[:, None], torch.ones(()), legal.float())
        drawn = torch.multinomial(weight, 1, generator=generator)[:, 0]
        move = torch.where(over, NO_MOVE, drawn)
        board = play(board, player, move)
        moves.append(move)
        player = -player
    return torch.stack(moves, dim=1)


@dataclass(frozen=True)
class Played:
    """What is on the board before each move, and once more at the end: `MAX_MOVES + 1` times.

    Index `t` of `time` is the position after `t` moves, which is what a model has read at its
    position `t` (its position 0 holds BOS).

    Attributes:
        board: 1 black, -1 white, 0 empty.
        player: who is to move, 1 or -1.
        legal: the squares where they may.
        going: whether the game still goes on, that is, whether a move follows.
    """

    board: Int[Tensor, "game time square"]
    player: Int[Tensor, " time"]
    legal: Bool[Tensor, "game time square"]
    going: Bool[Tensor, "game time"]


@guarded(games=game_table)
def replay(games: Int[Tensor, "game move"]) -> Played:
    """Play games through, from the opening.

    Raises:
        ValueError: a move is not legal where it stands, or comes after its game's end.
    """
    board = start().repeat(len(games), 1)
    player = torch.ones(len(games), dtype=torch.int8)
    boards, legal = [board], [legal_moves(board, player)]
    for move in games.unbind(1):
        board = play(board, player, move)
        player = -player
        boards.append(board)
        legal.append(legal_moves(board, player))
    who = torch.ones(games.shape[1] + 1, dtype=torch.int8)
    who[1::2] = WHITE
    going = torch.cat([games != NO_MOVE, torch.zeros_like(games[:, :1], dtype=torch.bool)], dim=1)
    return Played(torch.stack(boards, 1), who, torch.stack(legal, 1), going)


@guarded(games=game_table)
def to_tokens(games: Int[Tensor, "game move"]) -> Int[Tensor, "game time"]:
    """What the model reads: BOS, then every move but a 32nd, which nothing follows.

    After a game's end stands BOS again: nothing before it can see it, and its logits mean nothing.
    """
    moves = torch.where(games == NO_MOVE, BOS, games)[:, : MAX_MOVES - 1]
    return torch.cat([torch.full_like(moves[:, :1], BOS), moves], dim=1)


@guarded(logits=finite, legal=(shaped_as("logits"), yes_or_no))
def legal_mass(
    logits: Float[Tensor, "... square"], legal: Bool[Tensor, "... square"]
) -> Float[Tensor, "..."]:
    """The share of the probability that falls on legal moves, one number for each position.

    Args:
        logits: of the next move; the axes in front, such as game and time, stay.
        legal: True where a move is legal.
    """
    return (logits.softmax(-1) * legal).sum(-1)
