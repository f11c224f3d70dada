"""Reading and changing a known world inside a model: boards to probe for, and edits of a board.

"Layer L" is the residual stream before block L.

Boards are `[..., square]`: 1, -1 and 0, as in `data.othello.task` (black, white, empty) or relative
to the player to move (mine, yours, empty). A board probe is an affine map to `one_hot_states`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.othello.task import (
    MAX_MOVES,
    NO_MOVE,
    SQUARES,
    Played,
    discs,
    game_table,
    legal_moves,
    play,
    start,
    to_tokens,
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
from utils.reading.linear import Affine, ridge


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
    direction, line = (weights[..., 2] - weights[..., 0]).T, bias[:, 2] - bias[:, 0]
    return direction.float(), line.float()


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


@guarded(model=evaluating)
def streams(
    model, tokens: Int[Tensor, "game time"]
) -> tuple[Float[Tensor, "game time square"], Float[Tensor, "layer game time d_model"]]:
    """Logits, and the residual stream before each block, on the CPU."""
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens, names_filter=names)
    return logits.cpu(), torch.stack([cache[name].cpu() for name in names])


def board_probe(
    resid: Float[Tensor, "game time feature"],
    board: Int[Tensor, "game time square"],
    fit: Bool[Tensor, "game time"],
) -> Affine:
    """A linear probe for boards: least squares on one-hot states, at the positions in `fit`."""
    return ridge(resid[fit], one_hot_states(board[fit]), penalty=1e-3)


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
    states = torch.tensor([-1, 0, 1], device=board.device)
    targets = (board[fit][..., None] == states).double().flatten(1)
    probe = ridge(resid[fit], targets, penalty=1e-3)
    scores = probe(resid.flatten(0, 1))
    best = scores.view(-1, board.shape[-1], 3).argmax(-1)
    return states[best].view(board.shape)


def with_length_of(
    change: Callable[[Tensor], Tensor], like: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """A change of the residual stream in the direction of `change`, with steps as long as `like`'s.

    Both get the stream [example, d_model] and return the changed stream. The function returned does
    so too: each example's step has the direction of `change`'s step, and the length of `like`'s.
    """

    def changed(resid: Tensor) -> Tensor:
        step = change(resid) - resid
        length = (like(resid) - resid).norm(dim=-1, keepdim=True)
        return resid + step / step.norm(dim=-1, keepdim=True) * length

    return changed


def with_controls(
    change: Callable[[Tensor], Tensor],
    rivals: Mapping[str, Callable[[Tensor], Tensor]],
    *,
    draws: int,
    seed: int,
) -> dict[str, Callable[[Tensor], Tensor]]:
    """An edit, "this disc", and its controls, all with steps of its length.

    Args:
        rivals: name -> another change of the residual stream [example, d_model].
        draws: how many random directions, "random 0" and on.
    """
    found = {"this disc": change}
    found |= {name: with_length_of(rival, change) for name, rival in rivals.items()}
    found["opposite step"] = opposite(change)
    for draw in range(draws):
        generator = torch.Generator().manual_seed(seed + draw)
        found[f"random {draw}"] = in_random_direction(change, generator=generator)
    return found


def read_after(
    model,
    tokens: Int[Tensor, "example time"],
    time: Int[Tensor, " example"],
    changes: Mapping[str, Callable[[Tensor], Tensor]],
    probe: Affine,
    *,
    layer: int,
) -> tuple[Float[Tensor, "example move"], Int[Tensor, "example square"]]:
    """The logits at one time of each game after `changes`, and the board that is read then.

    Args:
        layer: where the probe reads, after all changes before this block.
    """
    kept = {}

    def keep(resid):
        kept["resid"] = resid.cpu()
        return resid

    changes = dict(changes) | {f"blocks.{layer}.hook_resid_pre": keep}
    new = logits_after(model, tokens, time.to(tokens.device), changes).cpu()
    return new, board_states(probe(kept["resid"]))


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


def random_sweep(
    model,
    tokens: Int[Tensor, "game time"],
    going: Bool[Tensor, "game time"],
    components: Sequence[str],
    read: Callable[[Tensor], float],
    *,
    layer: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """The control of `sweep_components`: each output is moved as far, in random directions."""
    place, weight = f"blocks.{layer}.hook_resid_pre", going[..., None].to(tokens.device).float()
    found, kept = {}, {}

    def move(out, hook):
        mean = (out * weight).sum(0, keepdim=True) / weight.sum(0, keepdim=True).clamp(min=1)
        step = torch.randn(out.shape, generator=generator).to(out)
        size = (mean - out).norm(dim=-1, keepdim=True)
        return out + step / step.norm(dim=-1, keepdim=True) * size

    def keep(resid, hook):
        kept["resid"] = resid

    for name in components:
        with torch.no_grad():
            model.run_with_hooks(tokens, fwd_hooks=[(name, move), (place, keep)])
        found[name] = read(kept["resid"])
    return found


def explained(
    played: Played,
    answers: Float[Tensor, "example square"],
    games: Sequence[int],
    times: Sequence[int],
    square: int,
) -> float:
    """How well logits fit with the disc on a square flipped: a sum of log-probabilities.

    Those of all moves that are then legal. Where the square has no disc, the true board counts.
    """
    games, times = torch.as_tensor(games), torch.as_tensor(times)
    suspected = played.board[games, times].clone()
    suspected[:, square] *= -1
    allowed = legal_moves(suspected, played.player[times])
    return (answers.softmax(-1) * allowed).sum(-1).clamp(min=1e-3).log().sum().item()


class Tampered:
    """A model in whose stream before a block one score is mirrored, at every position.

    Call it with games and times, as rows and positions of `tokens`: it returns the logits there.

    Args:
        budget: at how many different positions it may be asked.
    """

    def __init__(self, model, tokens, direction, bias, *, layer: int, scale: float, budget: int):
        self.model, self.tokens, self.budget, self.asked = model, tokens, budget, set()
        self._line = direction, bias, layer, scale

    def __call__(self, game: Sequence[int], time: Sequence[int]) -> Float[Tensor, "example square"]:
        game, time = torch.as_tensor(game), torch.as_tensor(time)
        asked = self.asked | set(zip(game.tolist(), time.tolist(), strict=True))
        if len(asked) > self.budget:
            raise ValueError(
                f"That would make {len(asked)} positions, and {self.budget} are allowed."
            )
        self.asked = asked
        return self.moves(game, time)

    def moves(
        self, game: Int[Tensor, " example"], time: Int[Tensor, " example"]
    ) -> Float[Tensor, "example square"]:
        """The logits, without counting."""
        direction, bias, layer, scale = self._line

        def mirror(resid, hook):
            score = resid @ direction + bias
            return resid - (1 + scale) * score[..., None] / direction.pow(2).sum() * direction

        hooks = [(f"blocks.{layer}.hook_resid_pre", mirror)]
        with torch.no_grad():
            logits = self.model.run_with_hooks(self.tokens[game], fwd_hooks=hooks)
        return logits[torch.arange(len(game)), time].cpu()


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
    at = torch.arange(pattern.shape[-1], device=pattern.device)
    back = at[:, None] - at
    moves = (back >= 0) & (at > 0)
    own = moves & (back % 2 == 1)
    counted = pattern * going[:, None, :, None].to(pattern.device)
    return (counted * own).sum((0, 2, 3)) / (counted * moves).sum((0, 2, 3))


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


class Swaps(NamedTuple):
    """Games cut off at a time, and the same with two moves of one player exchanged.

    Attributes:
        first, second: tokens of both, [pair time]; positions after `time` mean nothing.
        game: of which game, as a row of the games that were given.
        time: how many moves were made.
        since: how many moves were made after the later of the two exchanged ones.
        boards: after the first and after the second, black and white, [2 pair square].
        legal: what may be played after them, [2 pair square].
    """

    first: Int[Tensor, "pair position"]
    second: Int[Tensor, "pair position"]
    game: Int[Tensor, " pair"]
    time: Int[Tensor, " pair"]
    since: Int[Tensor, " pair"]
    boards: Int[Tensor, "order pair square"]
    legal: Bool[Tensor, "order pair square"]

    @property
    def same(self) -> Bool[Tensor, " pair"]:
        """Where both orders lead to the same board."""
        return (self.boards[0] == self.boards[1]).all(-1)


@guarded(games=game_table, n=count())
def draw_swaps(
    games: Int[Tensor, "game move"], played: Played, *, n: int, generator: torch.Generator
) -> Swaps:
    """Tries `n` times to exchange two moves of one player in the first 12 to 24 moves of a game.

    Only exchanges that the rules allow are kept. Some lead to the same board, others do not.
    """
    game = torch.randint(len(games), (n,), generator=generator)
    time = torch.randint(12, 25, (n,), generator=generator)
    i, j = (torch.rand(2, n, generator=generator) * time).long().sort(0).values
    able = (i < j) & ((j - i) % 2 == 0) & played.going[game, time]
    game, time, i, j = (each[able] for each in (game, time, i, j))
    rows = torch.arange(len(game))
    before = torch.where(torch.arange(MAX_MOVES) < time[:, None], games[game], NO_MOVE)
    after = before.clone()
    after[rows, i], after[rows, j] = before[rows, j], before[rows, i]
    board, player = start().repeat(len(game), 1), torch.ones(len(game), dtype=torch.int8)
    good = torch.ones(len(game), dtype=torch.bool)
    for move in after.unbind(1):
        legal = legal_moves(board, player).gather(1, move.clamp(min=0)[:, None])[:, 0]
        good &= legal | (move == NO_MOVE)
        board = play(board, player, torch.where(good, move, NO_MOVE))
        player = -player
    game, time, since = game[good], time[good], (time - 1 - j)[good]
    boards = torch.stack([played.board[game, time], board[good]])
    legal = torch.stack([legal_moves(each, played.player[time]) for each in boards])
    return Swaps(to_tokens(before[good]), to_tokens(after[good]), game, time, since, boards, legal)


def tensor_probe(
    resid: Float[Tensor, "example d_model"],
    board: Int[Tensor, "example square"],
    *,
    rank: int,
    steps: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "d_model rank 2"], Float[Tensor, "square rank"], Float[Tensor, "state 2"]]:
    """A board probe whose squares share their parts: arXiv 2605.09967.

    The score of a state c on a square s is `q[s] @ T @ f[c]`, where the matrix `T = resid @ B`,
    [rank 2], is made from the stream by one map for all squares. Trained with cross-entropy by Adam
    (learning rate 0.01), on batches of 512 examples drawn with replacement.

    Args:
        resid: centred.
        board: states -1, 0 and 1, in this order the rows of f.

    Returns:
        B, q and f, without gradients. Before training, they are drawn in this order with
        `torch.randn`, and divided by the square root of d_model, of `rank`, and of 2.
    """
    sizes = ((resid.shape[1], rank, 2), (board.shape[1], rank), (3, 2))
    scales = (resid.shape[1], rank, 2)
    parts = [
        (torch.randn(size, generator=generator) / scale**0.5).to(resid).requires_grad_()
        for size, scale in zip(sizes, scales, strict=True)
    ]
    optimizer = torch.optim.Adam(parts, lr=0.01)
    for _ in range(steps):
        rows = torch.randint(len(resid), (512,), generator=generator)
        scores = tensor_scores(resid[rows], *parts)
        target = board[rows].long() + 1
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return tuple(part.detach() for part in parts)


def tensor_scores(resid, B, q, f) -> Float[Tensor, "example square state"]:
    """The scores of a `tensor_probe`."""
    bound = (resid @ B.flatten(1)).view(-1, *B.shape[1:])
    return torch.einsum("brk,sr,ck->bsc", bound, q, f)


def low_rank_probe(
    resid: Float[Tensor, "example d_model"],
    board: Int[Tensor, "example square"],
    *,
    rank: int,
    steps: int,
    generator: torch.Generator,
) -> tuple[int, Callable[[Tensor], Tensor]]:
    """A linear probe through `rank` directions, trained like a `tensor_probe`: its rival.

    Returns:
        How many weights it has, and what reads the states -1, 0 and 1 from the stream. With as many
        directions as there are scores, it is a plain linear probe.
    """
    n = 3 * board.shape[1]
    sizes = [(resid.shape[1], n)] if rank >= n else [(resid.shape[1], rank), (rank, n)]
    parts = [
        (torch.randn(size, generator=generator) / size[0] ** 0.5).to(resid).requires_grad_()
        for size in sizes
    ]
    optimizer = torch.optim.Adam(parts, lr=0.01)

    def scores(x):
        for part in parts:
            x = x @ part
        return x.unflatten(-1, (-1, 3))

    for _ in range(steps):
        rows = torch.randint(len(resid), (512,), generator=generator)
        target = board[rows].long() + 1
        loss = torch.nn.functional.cross_entropy(
            scores(resid[rows]).flatten(0, 1), target.flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return sum(part.numel() for part in parts), lambda x: scores(x).detach().argmax(-1) - 1


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
    top, truth = acts.amax(0), facts.float()
    best = torch.zeros(facts.shape[1], device=acts.device)
    for cut in cuts:
        says = (acts > cut * top).float()
        hits = says.T @ truth
        f1 = 2 * hits / (says.sum(0)[:, None] + truth.sum(0))
        best = torch.maximum(best, f1.amax(0))
    return best


def sparse_codes(
    x: Float[Tensor, "example d_model"],
    *,
    n_latents: int,
    k: int,
    steps: int,
    generator: torch.Generator,
) -> tuple[Callable[[Tensor], Tensor], float]:
    """A small TopK autoencoder, as in lesson 4.2: its encoder, and the variance that it explains.

    Args:
        x: what to train it on, in batches of 512 drawn with replacement.
        k: how many latents are active on an example.
    """
    middle, size = x.mean(0), (x - x.mean(0)).norm(dim=-1).mean()
    rows = torch.randn(n_latents, x.shape[1], generator=generator).to(x)
    rows /= rows.norm(dim=-1, keepdim=True)
    encoder, decoder = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    optimizer = torch.optim.Adam([encoder, decoder], lr=3e-3)

    def encode(x):
        top = ((x - middle) / size @ encoder.T).topk(k, dim=-1)
        return torch.zeros(len(x), n_latents).to(x).scatter(1, top.indices, top.values.relu())

    def missed(x):
        return ((x - middle) / size - encode(x) @ decoder).pow(2).sum(-1).mean()

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, (steps - step) / (0.3 * steps))
        loss = missed(x[torch.randint(len(x), (512,), generator=generator)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=-1, keepdim=True)
    with torch.no_grad():
        explained = 1 - missed(x) / ((x - middle) / size).pow(2).sum(-1).mean()
    return lambda x: encode(x).detach(), explained.item()
