"""data.othello.task: the rules, against a player who goes square by square."""

import pytest
import torch

from data.othello import task as othello
from data.othello.task import BOS, MAX_MOVES, NO_MOVE, SIZE, SQUARES


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def turned_over(board: list[list[int]], row: int, column: int, player: int) -> list[tuple]:
    """What a disc there turns over, found by walking from it in every direction."""
    if board[row][column]:
        return []
    found = []
    for down, right in [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if r or c]:
        r, c, run = row + down, column + right, []
        while 0 <= r < SIZE and 0 <= c < SIZE and board[r][c] == -player:
            run.append((r, c))
            r, c = r + down, c + right
        if 0 <= r < SIZE and 0 <= c < SIZE and board[r][c] == player:
            found += run
    return found


@pytest.fixture(scope="module")
def games():
    return othello.random_games(2000, generator=generator())


@pytest.fixture(scope="module")
def played(games):
    return othello.replay(games)


def test_boards_and_legal_moves_are_what_a_walk_over_the_board_finds(games, played):
    for game in range(40):
        board = [row.tolist() for row in othello.start().view(SIZE, SIZE)]
        for time, move in enumerate([*games[game].tolist(), NO_MOVE]):
            player = 1 if time % 2 == 0 else -1
            assert played.board[game, time].tolist() == [disc for row in board for disc in row]
            assert played.player[time] == player
            legal = [bool(turned_over(board, *divmod(s, SIZE), player)) for s in range(SQUARES)]
            assert played.legal[game, time].tolist() == legal
            if move == NO_MOVE:
                assert time == MAX_MOVES or not any(legal)  # no game ends before it must
                break
            assert legal[move] and played.going[game, time]
            for row, column in [*turned_over(board, *divmod(move, SIZE), player)]:
                board[row][column] = player
            board[move // SIZE][move % SIZE] = player


def test_moves_are_drawn_alike_from_the_legal_ones(games):
    first = torch.bincount(games[:, 0], minlength=SQUARES)
    assert first.count_nonzero() == 4 and (first[first > 0] / 2000 - 0.25).abs().max() < 0.04


def test_a_seed_gives_the_same_games(games):
    assert torch.equal(othello.random_games(2000, generator=generator()), games)
    assert not torch.equal(othello.random_games(2000, generator=generator(1)), games)


def test_after_its_end_a_game_stays_as_it_is(games, played):
    length = (games != NO_MOVE).sum(-1)
    short = int((length < MAX_MOVES).nonzero()[0])
    n = int(length[short])
    assert (games[short, n:] == NO_MOVE).all() and not played.going[short, n:].any()
    assert (played.board[short, n:] == played.board[short, n]).all()


def test_an_illegal_move_is_named():
    games = torch.full((2, 3), NO_MOVE)
    games[0, 0] = 8
    games[1, 0] = 0  # turns nothing over
    with pytest.raises(ValueError, match="a1 is not a legal move in game 1"):
        othello.replay(games)
    games[1, 0] = othello.CENTRE[0]  # taken
    with pytest.raises(ValueError, match="c3 is not a legal move in game 1"):
        othello.replay(games)
    games[1, 0] = SQUARES
    with pytest.raises(ValueError, match="from 0 to 35"):
        othello.replay(games)


def test_tokens_are_bos_and_the_moves_but_the_last(games):
    tokens = othello.to_tokens(games)
    assert tokens.shape == (2000, MAX_MOVES) and (tokens[:, 0] == BOS).all()
    going = games[:, :-1] != NO_MOVE
    assert torch.equal(tokens[:, 1:][going], games[:, :-1][going])
    assert (tokens[:, 1:][~going] == BOS).all()


def test_legal_mass_of_planted_logits():
    legal = torch.zeros(3, SQUARES, dtype=torch.bool)
    legal[:, :9] = True
    logits = torch.zeros(3, SQUARES)
    logits[1, :9] = 50.0
    logits[2, 9:] = 50.0
    mass = othello.legal_mass(logits, legal)
    torch.testing.assert_close(mass, torch.tensor([0.25, 1.0, 0.0]))


def test_squares_have_names():
    names = [othello.square_name(s) for s in range(SQUARES)]
    assert names[0] == "a1" and names[5] == "f1" and names[-1] == "f6" and len(set(names)) == 36
