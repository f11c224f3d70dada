"""utils.reading.world: boards and edits, on cases that can be counted by hand."""

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from data.othello.task import NO_MOVE, legal_moves, random_games, replay, start, to_tokens
from utils.reading import world
from utils.reading.linear import Affine


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_probe(d: int, n_squares: int, seed: int = 1) -> Affine:
    rows = torch.randn(d + 1, 3 * n_squares, generator=generator(seed))
    return Affine(rows[:-1], rows[-1])


def test_the_relative_board_is_the_boards_times_the_player():
    games = random_games(5, generator=generator())
    played = replay(games)
    relative = world.relative_board(played.board)
    assert torch.equal(relative, played.board * played.player[:, None])


def test_who_placed_a_disc_stays_when_it_is_turned_over():
    games = random_games(20, generator=generator())
    board, placed = replay(games).board, world.placed_by(games)
    assert placed.shape == board.shape
    assert torch.equal(placed[:, 0], start().expand(20, -1))
    assert torch.equal(placed != 0, board != 0)
    for game, moves in enumerate(games[:3].tolist()):
        for time, move in enumerate(moves):
            if move != NO_MOVE:
                assert (placed[game, time + 1 :, move] == (1 if time % 2 == 0 else -1)).all()
                assert board[game, time + 1, move] == placed[game, time + 1, move]
    assert 0.2 < ((placed != board) & (board != 0)).sum() / (board != 0).sum() < 0.5


def test_states_survive_the_round_trip():
    board = torch.randint(-1, 2, (7, 36), generator=generator())
    one_hot = world.one_hot_states(board)
    assert one_hot.shape == (7, 108) and (one_hot.sum(-1) == 36).all()
    assert torch.equal(world.board_states(one_hot), board)


def test_the_history_holds_each_move_once_at_its_number():
    tokens = to_tokens(random_games(3, generator=generator()))
    for relative in (True, False):
        found = world.history(tokens, relative=relative).unflatten(-1, (32, 36))
        assert found.shape == (3, 32, 32, 36)
        for time in (1, 4, 9):
            for move in range(1, time + 1):
                assert found[0, time, time - move if relative else move, tokens[0, move]] == 1
            assert found[0, time].sum() == time


def test_a_flip_mirrors_the_score_and_keeps_the_rest():
    resid = torch.randn(4, 5, generator=generator())
    probe = random_probe(5, 2)
    direction, bias = world.flip_direction(probe, torch.tensor([0, 1, 1, 0]))
    assert torch.allclose(direction[1], probe.weights[:, 5] - probe.weights[:, 3])
    assert torch.allclose(bias[0], probe.bias[2] - probe.bias[0])

    def score(x):
        return (x * direction).sum(-1) + bias

    for scale in (0.0, 1.0, 2.5):
        moved = world.flip_along(resid, direction, bias, scale)
        assert torch.allclose(score(moved), -scale * score(resid), atol=1e-4)
        step = moved - resid
        across = step - (step * direction).sum(-1, keepdim=True) * direction / (
            direction.pow(2).sum(-1, keepdim=True)
        )
        assert across.abs().max() < 1e-5


def test_the_controls_of_an_edit_step_as_far():
    resid = torch.randn(4, 5, generator=generator())

    def like(x):
        return x + torch.tensor([3.0, 4, 0, 0, 0])

    random = world.in_random_direction(like, generator=generator(1))(resid) - resid
    assert torch.allclose(random.norm(dim=-1), torch.full((4,), 5.0))
    assert random.std(0).min() > 0.1  # each example its own
    turned = world.with_length_of(lambda x: x + torch.eye(5)[:4], like)(resid) - resid
    assert torch.allclose(turned, 5 * torch.eye(5)[:4], atol=1e-5)
    back = world.opposite(like)(resid) - resid
    assert torch.allclose(back, resid - like(resid), atol=1e-6)


def test_an_edit_and_its_controls_come_together_and_step_as_far():
    resid, other = torch.randn(4, 5, generator=generator()), torch.randn(5, generator=generator(1))
    found = world.with_controls(lambda x: 1.5 * x, {"other": lambda x: x + other}, draws=2, seed=3)
    assert list(found) == ["this disc", "other", "opposite step", "random 0", "random 1"]
    steps = [change(resid) - resid for change in found.values()]
    for step in steps:
        assert torch.allclose(step.norm(dim=-1), 0.5 * resid.norm(dim=-1), atol=1e-5)
    assert torch.allclose(steps[2], -0.5 * resid, atol=1e-6)
    assert not torch.allclose(steps[3], steps[4])


def test_a_board_is_read_in_the_stream_that_was_edited():
    model, time, probe = small(), torch.tensor([3, 7, 5]), random_probe(8, 36)
    probe = Affine(*(each.double() for each in probe))
    tokens = to_tokens(random_games(3, generator=generator()))
    changes = {"blocks.0.hook_resid_pre": lambda x: -x}
    new, read = world.read_after(model, tokens, time, changes, probe, layer=1)
    assert torch.allclose(new, world.logits_after(model, tokens, time, changes), atol=1e-6)
    _, plain = world.read_after(model, tokens, time, {}, probe, layer=1)
    _, stream = world.streams(model, tokens)
    assert torch.equal(plain, world.board_states(probe(stream[1, torch.arange(3), time])))
    assert not torch.equal(read, plain)


def test_moves_are_explained_best_by_the_board_they_come_from():
    played = replay(random_games(20, generator=generator()))
    games, times = list(range(20)), [10 + i % 8 for i in range(20)]
    board, player = played.board[games, times].clone(), played.player[times]
    board[:, 8] *= -1
    logits = legal_moves(board, player).float() * 20
    scores = [world.explained(played, logits, games, times, square) for square in range(36)]
    assert max(range(36), key=scores.__getitem__) == 8 and abs(scores[8]) < 1e-3


def test_the_flipper_flips_what_the_probe_says():
    resid = torch.randn(3, 5, generator=generator())
    probe = Affine(*(each.double() for each in random_probe(5, 2)))
    square = torch.tensor([1, 0, 1])
    direction, bias = world.flip_direction(probe, square)
    moved = world.flipper(probe, square, scale=2.0)(resid)
    assert moved.dtype == resid.dtype
    right = world.flip_along(resid, direction.float(), bias.float(), 2.0)
    assert torch.allclose(moved, right)


def test_logits_after_changes_one_position_and_reads_there():
    model = TransformerBridge.boot_native(
        {"n_layers": 2, "d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 8, "n_ctx": 6}
        | {"d_vocab": 7, "act_fn": "gelu", "normalization_type": "LN", "seed": 0}
    ).eval()
    tokens, time = torch.randint(0, 7, (3, 6), generator=generator()), torch.tensor([1, 3, 5])
    rows = torch.arange(3)
    with torch.no_grad():
        plain = model(tokens)[rows, time]
    name = "blocks.0.hook_resid_post"
    assert torch.allclose(world.logits_after(model, tokens, time, {}), plain, atol=1e-6)
    same = world.logits_after(model, tokens, time, {name: lambda resid: resid})
    assert torch.allclose(same, plain, atol=1e-6)
    moved = world.logits_after(model, tokens, time, {name: lambda resid: -resid})
    assert (moved - plain).abs().max() > 1e-3
    with torch.no_grad():
        assert torch.allclose(model(tokens)[rows, time], plain), "the hooks are gone again"


def test_legal_move_errors_count_both_kinds():
    legal = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    logits = torch.tensor([[3.0, 1, 2, 0], [0, 1, 2, 3]])
    assert world.legal_move_errors(logits, legal).tolist() == [2, 2]
    assert world.legal_move_errors(legal.float(), legal).tolist() == [0, 0]


def test_an_edit_changes_one_square_and_the_legal_moves():
    played = replay(random_games(60, generator=generator()))
    edits = world.draw_edits(played, n=30, generator=generator(1))
    before = played.board[edits.game, edits.time]
    assert len(edits.game) == 30 and ((edits.board != before).sum(-1) == 1).all()
    rows = torch.arange(30)
    assert torch.equal(edits.board[rows, edits.square], -before[rows, edits.square])
    assert (before[rows, edits.square] != 0).all() and (before[rows, edits.another] != 0).all()
    assert (edits.square != edits.another).all()
    assert (edits.legal != played.legal[edits.game, edits.time]).any(-1).all()
    assert torch.equal(edits.legal, legal_moves(edits.board, played.player[edits.time]))
    assert edits.legal.any(-1).all() and played.going[edits.game, edits.time].all()


def test_a_flip_turns_one_disc_and_leaves_the_game_alone():
    played = replay(random_games(8, generator=generator()))
    kept, game = played.board.clone(), torch.arange(8)
    time, square = torch.full((8,), 6), played.board[:, 6].abs().argmax(-1)
    board, legal = world.legal_after_flip(played, game, time, square)
    assert torch.equal(played.board, kept)
    changed = board != kept[:, 6]
    assert (changed.sum(-1) == 1).all() and changed[game, square].all()
    assert torch.equal(legal, legal_moves(board, played.player[time]))


def small(seed: int = 0, n_layers: int = 2) -> TransformerBridge:
    return TransformerBridge.boot_native(
        {"n_layers": n_layers, "d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 8, "n_ctx": 33}
        | {"d_vocab": 37, "act_fn": "gelu", "normalization_type": "LN", "seed": seed}
    ).eval()


def test_streams_are_those_before_each_block():
    model = small()
    tokens = to_tokens(random_games(2, generator=generator()))
    logits, resid = world.streams(model, tokens)
    assert logits.shape == (2, 32, 37) and resid.shape == (2, 2, 32, 8)
    _, cache = model.run_with_cache(tokens)
    assert torch.allclose(resid[1], cache["blocks.1.hook_resid_pre"], atol=1e-6)


def test_boards_are_read_as_the_probe_says():
    board = torch.randint(-1, 2, (6, 5, 4), generator=generator())
    x = torch.randn(6, 5, 7, generator=generator(1))
    fit = torch.arange(6)[:, None].expand(-1, 5) < 4
    probe = world.board_probe(x, board, fit)
    right = world.board_states(probe(x.flatten(0, 1))).view(6, 5, 4)
    assert torch.equal(world.read_boards(x, board, fit), right)


def test_exchanged_moves_lead_where_they_say():
    games = random_games(60, generator=generator())
    swaps = world.draw_swaps(games, replay(games), n=3000, generator=generator(1))
    assert len(swaps.time) > 20 and bool(swaps.same.any()) and not bool(swaps.same.all())
    assert bool(((swaps.first != swaps.second).sum(1) == 2).all())
    for pair in range(10):
        time = int(swaps.time[pair])
        assert torch.equal(
            swaps.first[pair, : time + 1], to_tokens(games)[swaps.game[pair], : time + 1]
        )
        for order, tokens in enumerate((swaps.first, swaps.second)):
            moves = torch.full((1, 32), NO_MOVE)
            moves[0, :time] = tokens[pair, 1 : time + 1]
            played = replay(moves)
            assert torch.equal(played.board[0, time], swaps.boards[order, pair])
            assert torch.equal(played.legal[0, time], swaps.legal[order, pair])


def test_a_tampered_model_counts_what_it_is_asked():
    model, tokens = small(), to_tokens(random_games(4, generator=generator()))
    direction, bias = torch.randn(8, generator=generator(1)), torch.tensor(0.5)
    ask = world.Tampered(model, tokens, direction, bias, layer=1, scale=1.0, budget=3)
    found = ask([0, 1], [4, 6])
    assert torch.equal(ask([0, 1], [4, 6]), found) and len(ask.asked) == 2
    assert torch.allclose(found, ask.moves(torch.tensor([0, 1]), torch.tensor([4, 6])))
    with pytest.raises(ValueError, match="4 positions, and 3"):
        ask([2, 3], [4, 4])
    with torch.no_grad():
        assert (model(tokens[:2])[[0, 1], [4, 6]] - found).abs().max() > 1e-3


def test_random_steps_are_as_long_as_the_ablations():
    model, tokens = small(), to_tokens(random_games(5, generator=generator()))
    going = torch.ones_like(tokens, dtype=torch.bool)
    names = ["blocks.0.hook_mlp_out"]
    _, cache = model.run_with_cache(tokens)
    plain = cache["blocks.1.hook_resid_pre"]

    def far(resid):
        return (resid - plain).norm(dim=-1).mean().item()

    ablated = world.sweep_components(model, tokens, going, names, far, layer=1)
    moved = world.random_sweep(model, tokens, going, names, far, layer=1, generator=generator())
    assert abs(ablated[names[0]] - moved[names[0]]) < 1e-4 < ablated[names[0]]


def test_small_probes_and_codes_learn_what_is_planted():
    x = torch.randn(500, 6, generator=generator())
    board = (x[:, :2] > 0).long() * 2 - 1
    n, read = world.low_rank_probe(x, board, rank=2, steps=200, generator=generator(1))
    assert n == 6 * 2 + 2 * 6 and (read(x) == board).float().mean() > 0.9
    n, read = world.low_rank_probe(x, board, rank=6, steps=200, generator=generator(1))
    assert n == 36 and (read(x) == board).float().mean() > 0.9
    parts = world.tensor_probe(x, board, rank=3, steps=200, generator=generator(1))
    told = world.tensor_scores(x, *parts).argmax(-1) - 1
    assert (told == board).float().mean() > 0.9
    sparse = torch.nn.functional.one_hot(torch.randint(8, (500,), generator=generator(2)), 8)
    encode, explained = world.sparse_codes(
        sparse.float(), n_latents=16, k=2, steps=200, generator=generator(3)
    )
    codes = encode(sparse.float())
    assert explained > 0.8 and codes.shape == (500, 16) and codes.min() >= 0
    assert int((codes > 0).sum(1).max()) <= 2
