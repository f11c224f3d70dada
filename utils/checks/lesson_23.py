"""Checks of lesson 2.3, world models."""

import torch

from utils.checks.engine import exercise, expect, match


def _random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@exercise("data.othello.task.legal_mass")
def check_legal_mass(legal_mass) -> str:
    """Random logits over 5 squares; the sums are made one by one; then other axes in front."""
    logits = _random(2, 3, 5)
    legal = torch.tensor(
        [
            [[1, 0, 0, 1, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1]],
            [[0, 1, 0, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]],
        ]
    ).bool()

    def mass(table: torch.Tensor) -> torch.Tensor:
        rows = [
            [sum(table[g, t, s].item() for s in range(5) if legal[g, t, s]) for t in range(3)]
            for g in range(2)
        ]
        return torch.tensor(rows)

    probs = logits.exp() / logits.exp().sum(-1, keepdim=True)
    top = legal.gather(-1, logits.argmax(-1, keepdim=True))[..., 0].float()
    match(
        legal_mass(logits, legal),
        mass(probs),
        what="The mass on legal moves",
        mistakes={
            "Those are sums of logits: turn them into probabilities first.": mass(logits),
            "Those are sums of *log*-probabilities: add up the probabilities.": mass(probs.log()),
            "A sigmoid is not a softmax: the probabilities of all squares sum to 1.": mass(
                logits.sigmoid()
            ),
            "Not normalised: divide by the sum over all squares.": mass(logits.exp()),
            "The softmax runs over the wrong axis: the squares are the last one.": mass(
                logits.softmax(1)
            ),
            "The softmax runs over the wrong axis: one distribution for each position of each "
            "game.": mass(logits.softmax(0)),
            "The softmax runs over all positions at once: one distribution for each.": mass(
                logits.flatten().softmax(0).view_as(logits)
            ),
            "Only the likeliest square is looked at: add up the probability of all legal "
            "ones.": top,
            "That is the probability of the likeliest legal move: add up all of them.": (
                (probs * legal).amax(-1)
            ),
            "That is the mean over the legal squares: take the sum.": mass(probs) / legal.sum(-1),
            "That is the mass on the *illegal* moves.": 1 - mass(probs),
            "You normalised over the legal moves alone, so the answer is always 1: the softmax "
            "must run over all squares.": torch.ones(2, 3),
            "That is how many squares are legal: the logits are not used.": legal.sum(-1),
            "That is the share of squares that are legal: the logits are not used.": (
                legal.float().mean(-1)
            ),
            "One number for each position, please: [game, time]. The lesson averages later.": (
                mass(probs).mean()
            ),
            "That is a mean over all squares: take the sum over the legal ones.": mass(probs) / 5,
        },
    )
    for at in ((1,), (slice(0, 1), slice(0, 1)), (1, 0)):
        one = legal_mass(logits[at], legal[at])
        match(
            one,
            mass(probs)[at],
            what=f"The mass for logits of shape {tuple(logits[at].shape)}",
            mistakes={},
        )
    return "The share of the probability that the rules allow."


@exercise("utils.reading.world.relative_board")
def check_relative_board(relative_board) -> str:
    """Boards to which each move adds a disc, while others turn over; then one short game."""
    generator = torch.Generator().manual_seed(1)
    colours = torch.randint(0, 2, (3, 5, 10), generator=generator) * 2 - 1
    when = torch.stack([torch.randperm(10, generator=generator) for _ in range(3)])
    board = torch.where(when[:, None] < 4 + torch.arange(5)[:, None], colours, 0).to(torch.int8)
    sign = torch.tensor([1, -1, 1, -1, 1])
    right = board * sign[:, None]
    match(
        relative_board(board),
        right,
        what="The relative board",
        mistakes={
            "Mine and yours are swapped: off by one in who moves next. At time 0 nobody has moved, "
            "so black (1) is *to move*, and black's discs are mine.": -right,
            "That is still black and white: turn the colours round where white is to move.": board,
            "Mine is always black's opposite here: turn the colours round only where white is to "
            "move.": -board,
            "Who is to move changes from time to time, not from square to square or from game to "
            "game: time is the middle axis.": board * torch.tensor([1, -1] * 5),
            "Who is to move changes from time to time, not from game to game: time is the middle "
            "axis.": board * sign[:3, None, None],
            "White moves every second time: black at 0, white at 1, black at 2.": (
                board * torch.tensor([1, 1, -1, -1, 1])[:, None]
            ),
            "White's turn alone is turned round at time 1; it comes again at 3.": (
                board * torch.tensor([1, -1, 1, 1, 1])[:, None]
            ),
            "Only the boards where black is to move came back, or the others are empty.": (
                board * (sign > 0)[:, None]
            ),
            "That tells discs from empty squares: the colours are lost.": board.abs(),
        },
    )
    short = board[1:2, :2]
    match(
        relative_board(short),
        right[1:2, :2],
        what="The relative board of one game of two times",
        mistakes={},
    )
    return "Mine and yours, as the player to move sees them."


@exercise("affine_fit")
def check_affine_fit(affine_fit) -> str:
    """Exact data of a planted map first; then noisy data, and a large ridge; then one target."""
    n, d, m = 30, 3, 2
    inputs, weights = _random(n, d).double(), _random(d + 1, m, seed=1).double()
    inputs = inputs + torch.tensor([1.0, -2.0, 0.5])  # not centred, so that the bias matters
    targets = inputs @ weights[:-1] + weights[-1]

    def solve(X: torch.Tensor, Y: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
        penalty = penalty if penalty.ndim == 2 else penalty.diag()
        return torch.linalg.inv(X.T @ X + penalty) @ X.T @ Y

    def cases(Y: torch.Tensor, ridge: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        one = torch.ones(n, 1).double()
        X, front = torch.cat([inputs, one], 1), torch.cat([one, inputs], 1)
        free = torch.tensor([ridge] * d + [0.0]).double()
        right = solve(X, Y, free)
        without = solve(inputs, Y, free[:-1])
        centred = inputs - inputs.mean(0)
        slope = solve(centred, Y - Y.mean(0), free[:-1])
        return right, {
            "The bias is missing: add a column of ones to the inputs.": without,
            "The bias is missing (its row is zero): add a column of ones to the inputs.": torch.cat(
                [without, torch.zeros(1, m).double()]
            ),
            "The bias comes first: it should be the *last* row.": solve(front, Y, free.flip(0)),
            "You centred the inputs and forgot to take that back: the bias must hold for inputs as "
            "they come.": torch.cat([slope, Y.mean(0, keepdim=True)]),
            "The ridge is ignored: add it to the diagonal of `inputs.T @ inputs`.": solve(
                X, Y, free * 0
            ),
            "The ridge shrinks the bias too: leave the last entry of the diagonal alone.": solve(
                X, Y, torch.full_like(free, ridge)
            ),
            "The ridge counts n times: the errors are summed, not averaged.": solve(X, Y, free * n),
            "The ridge was squared: the penalty is ridge times the squared weights.": solve(
                X, Y, free**2
            ),
            "The ridge is divided by n: the errors are summed, not averaged.": solve(
                X, Y, free / n
            ),
            "The ridge counts half: add `ridge` to the diagonal as it is.": solve(X, Y, free / 2),
            "The ridge counts twice: add `ridge` to the diagonal as it is.": solve(X, Y, free * 2),
            "The ridge is added to *all* entries: to the diagonal alone.": solve(
                X, Y, torch.full((d + 1, d + 1), ridge).double()
            ),
            "The ridge is taken away: add it.": solve(X, Y, -free),
            "Transposed: weights are [feature_and_one, target].": right.T,
        }

    right, mistakes = cases(targets, 0.0)
    named = {k: v for k, v in mistakes.items() if "ridge" not in k.lower()}
    match(
        affine_fit(inputs, targets, ridge=0.0),
        right,
        what="The weights (exact data, no ridge)",
        mistakes=named,
    )
    noisy = targets + _random(n, m, seed=2).double()
    right, mistakes = cases(noisy, 7.0)
    match(
        affine_fit(inputs, noisy, ridge=7.0),
        right,
        what="The weights (noisy data, ridge 7)",
        mistakes=mistakes,
    )
    match(
        affine_fit(inputs, noisy[:, :1], ridge=7.0),
        right[:, :1],
        what="The weights for a single target",
        mistakes={},
    )
    return "Slope and bias in one step, and the bias goes unpunished."


@exercise("utils.reading.world.flip_along")
def check_flip_along(flip_along) -> str:
    """Three examples in four dimensions, with scores above 0 and below; then one alone."""
    resid, direction = _random(3, 4).double(), 2 * _random(3, 4, seed=1).double()
    score = torch.tensor([1.5, -0.8, 2.2]).double()
    dot = torch.stack([sum(resid[i, j] * direction[i, j] for j in range(4)) for i in range(3)])
    length = torch.stack([sum(direction[i, j] ** 2 for j in range(4)) for i in range(3)])
    bias = score - dot

    def moved(amount: torch.Tensor, along: torch.Tensor = direction) -> torch.Tensor:
        return resid - amount[:, None] * along

    for scale in (1.0, 2.5, 0.0):
        step = (1 + scale) * score / length
        of_first = (resid @ direction[0] + bias[0]) / length[0]
        mistakes = {
            "The bias is left out: the line between the two states does not run through zero, "
            "and the score is `resid @ direction + bias`.": moved((1 + scale) * dot / length),
            "The bias has the wrong sign: the score is `resid @ direction + bias`.": moved(
                (1 + scale) * (dot - bias) / length
            ),
            "Divide by the direction's length *squared*: the score grows with the length once, "
            "and the step you take along it once more.": moved((1 + scale) * score / length.sqrt()),
            "The direction's length is not taken out: divide by its length squared.": moved(
                (1 + scale) * score
            ),
            "The wrong way: the score has grown.": moved(-step),
            "That is the step. Add it to `resid`.": moved(step) - resid,
            "The sign of the score is lost: below 0 it must go up, and above 0 down.": moved(
                step.abs()
            ),
            "Only scores above 0 are flipped: those below 0 go up.": moved(step.clamp(min=0)),
            "All examples got one step: each has its own score.": moved(step.mean().expand(3)),
            "All examples got the first one's step: each has its own score.": moved(
                step[:1].expand(3)
            ),
            "All examples went along the first one's direction: each has its own.": moved(
                (1 + scale) * of_first, direction[:1]
            ),
        }
        if scale:
            mistakes |= {
                "You only went as far as the line (score 0) at scale 1. To arrive at *minus* scale "
                "times the score, the step is 1 + scale times as long.": moved(
                    scale * score / length
                ),
                "The scale is ignored: at scale 1 that would do.": moved(2 * score / length),
                "The wrong way: the score has grown. Subtract.": moved(-scale * score / length),
                "At scale 1 that would do. But the score must change by 1 + scale times itself, "
                "not by 2 * scale.": moved(2 * scale * score / length),
                "The score ended at plus scale times what it was, not minus.": moved(
                    (1 - scale) * score / length
                ),
            }
        match(
            flip_along(resid, direction, bias, scale),
            moved(step),
            what=f"The residual stream after the flip (scale {scale:g})",
            mistakes=mistakes,
        )
    match(
        flip_along(resid[1:2], direction[1:2], bias[1:2], 1.0),
        moved(2 * score / length)[1:2],
        what="The residual stream of a single example after the flip",
        mistakes={},
    )
    return "Mirrored at the probe's line; the rest is as it was."


@exercise("utils.reading.world.legal_move_errors", in_double=True)
def check_legal_move_errors(legal_move_errors) -> str:
    """Four boards of six squares, with one to three legal moves; ranks that are no swaps."""
    logits = torch.tensor(
        [
            [-0.75, 1.75, 3.0, -1.0, 1.5, 0.25],
            [-0.75, 1.5, -1.0, 1.25, -1.5, 0.0],
            [2.25, -1.5, 1.75, -2.0, 3.5, -2.25],
            [-2.25, -1.5, -2.5, 3.0, 2.0, 0.0],
        ]
    )
    legal = torch.tensor(
        [[0, 1, 0, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 1, 1, 0, 0, 1]]
    ).bool()
    n_legal = legal.sum(-1).tolist()

    def errors(chosen: list[list[int]]) -> torch.Tensor:
        rows = zip(chosen, legal.tolist(), strict=True)
        return torch.tensor(
            [sum((square in best) != row[square] for square in range(6)) for best, row in rows]
        ).float()

    order = [sorted(range(6), key=lambda square: -row[square]) for row in logits.tolist()]

    def first(n: list[int]) -> torch.Tensor:
        return errors([squares[:k] for squares, k in zip(order, n, strict=True)])

    right = first(n_legal)
    once = errors(
        [
            [place for place in range(6) if squares[place] < k]
            for squares, k in zip(order, n_legal, strict=True)
        ]
    )
    lowest = errors([squares[6 - k :] for squares, k in zip(order, n_legal, strict=True)])
    one_wrong = (~legal.gather(1, logits.argmax(-1)[:, None])[:, 0]).float()
    one_n = "N differs from board to board: it is the number of *that* board's legal moves."
    over_boards = (-logits).argsort(0).argsort(0) < legal.sum(-1, keepdim=True)
    got = legal_move_errors(logits, legal)
    match(
        got,
        right,
        what="The errors",
        mistakes={
            "Those are the wrong moves among the first N. Count the legal moves that are missing "
            "from them too.": right / 2,
            "One `argsort` gives the square at each rank. You compare with N the rank of each "
            "square: sort once more.": once,
            "You took N + 1 squares: ranks begin at 0, so the first N are those *below* N.": first(
                [n + 1 for n in n_legal]
            ),
            "You took N - 1 squares: ranks begin at 0, so all those *below* N are chosen.": first(
                [n - 1 for n in n_legal]
            ),
            "That is the mean over the squares: count the errors, with a sum.": right / 6,
            "That is a share of the legal moves: count the errors.": right / torch.tensor(n_legal),
            "Only the first move is looked at: take as many as there are legal ones, on each "
            "board.": one_wrong,
            f"{one_n} (You took the largest.)": first([max(n_legal)] * 4),
            f"{one_n} (You took the first board's.)": first([n_legal[0]] * 4),
            f"{one_n} (You took the smallest.)": first([1] * 4),
            f"{one_n} (You took the sum over the batch.)": first([6] * 4),
            "Those are the hits. Count the errors.": torch.tensor(n_legal) - right / 2,
            "You took the squares with the *lowest* logits.": lowest,
            "You sorted the boards against each other: sort the squares, the last axis.": (
                (over_boards != legal).sum(-1).float()
            ),
            "A logit above 0 is no move: compare the logits with each other, and take the N "
            "highest.": ((logits > 0) != legal).sum(-1).float(),
            "One number for each board, [example]; the lesson averages later.": right.mean(),
        },
    )
    expect(
        got.is_floating_point(),
        "The errors are right, but whole numbers have no `.mean()`, which the lesson takes: "
        "`.float()`.",
    )
    match(
        legal_move_errors(logits[3:], legal[3:]),
        right[3:],
        what="The errors of a single board",
        mistakes={},
    )
    return "Wrong ones and missing ones, counted on each board."


@exercise("data.beliefs.task.belief_update")
def check_belief_update(belief_update) -> str:
    """A process of three states and two tokens without any symmetry."""
    generator = torch.Generator().manual_seed(0)
    T = torch.rand(2, 3, 3, generator=generator).double() ** 2
    T = T / T.sum((0, 2))[None, :, None]
    belief = torch.rand(4, 3, generator=generator).double()
    belief = belief / belief.sum(-1, keepdim=True)
    token = torch.tensor([0, 1, 0, 1])

    def each(one) -> torch.Tensor:
        rows = [[one(b, T[a], j) for j in range(3)] for b, a in zip(belief, token, strict=True)]
        return torch.tensor(rows).double()

    def normal(rows: torch.Tensor) -> torch.Tensor:
        return rows / rows.sum(-1, keepdim=True)

    joint = each(lambda b, M, j: sum((b[i] * M[i, j]).item() for i in range(3)))
    turned = each(lambda b, M, j: sum((M[j, i] * b[i]).item() for i in range(3)))
    stay = each(lambda b, M, j: (b[j] * M[j].sum()).item())  # evidence, but no move
    move = belief @ T.sum(0)
    seen = torch.stack([T[a].sum(0) for a in token])
    one_token = {
        f"One token for all rows, {which}: each row has its own.": normal(belief @ T[a])
        for which, a in (("the first", 0), ("the last", 1))
    }
    match(
        belief_update(belief, token, T),
        normal(joint),
        what="The belief",
        mistakes={
            "Not normalised: divide each row by its sum, which is the probability of the token.": (
                joint
            ),
            "Transposed: `T[a]` is [from, to], so a belief, as a row, stands on its left.": normal(
                turned
            ),
            "Transposed: `T[a]` is [from, to], so a belief, as a row, stands on its left. (And it "
            "is not normalised.)": turned,
            "The state has not moved: you weighed where the process *was*. `T[a]` holds the move "
            "too: use all of it.": normal(stay),
            "The token is ignored: that is where the process goes, whatever it emits.": move,
            **one_token,
            "You normalised over the batch: each row is a belief, and sums to 1.": joint
            / joint.sum(0),
            "You divided by the sum over the whole batch: each row sums to 1.": joint / joint.sum(),
            "A softmax is no Bayes' rule: divide by the sum.": joint.softmax(-1),
            "The belief from before is lost: it weighs the rows of `T[a]`.": normal(seen),
            "Multiply the belief, as a row, with the *matrix* `T[a]`, not entry by entry.": normal(
                belief * seen
            ),
            "You added up over the batch: each row has a belief of its own.": normal(
                joint.sum(0, keepdim=True)
            ).expand(4, 3),
        },
    )
    match(
        belief_update(belief[1:2], token[1:2], T),
        normal(joint)[1:2],
        what="The belief of a single row",
        mistakes={},
    )
    return "Bayes' rule: move and evidence at once, then normalise."
