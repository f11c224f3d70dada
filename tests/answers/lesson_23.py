"""Lesson 2.3: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch
from sklearn.linear_model import Ridge

from data.beliefs import task as process
from data.othello import task as othello
from utils.reading import linear, world


def _turn_in_place(board):
    board[:, 1::2] *= -1
    return board


def _fit(columns, penalty=lambda ridge, d: torch.tensor([ridge] * (d - 1) + [0.0]), bias=None):
    """Solves with other columns, another penalty, or a bias row of its own."""

    def affine_fit(inputs, targets, *, ridge):
        X = columns(inputs)
        P = penalty(ridge, X.shape[1]).double().diag()
        weights = torch.linalg.solve(X.T @ X + P, X.T @ targets)
        return bias(weights, targets) if bias else weights

    return affine_fit


def _with_ones(inputs):
    return torch.cat([inputs, torch.ones(len(inputs), 1).double()], 1)


def _all(ridge, d):
    return torch.full((d,), ridge)


def _right_fit(inputs, targets, *, ridge):
    """What the library's `ridge` finds, packed as the exercise wants it."""
    found = linear.ridge(inputs, targets, penalty=ridge)
    return torch.cat([found.weights, found.bias[None]])


def _flip(amount, put=lambda resid, step: resid - step):
    def flip_along(resid, direction, bias, scale):
        dot, length = (resid * direction).sum(-1), direction.pow(2).sum(-1)
        step = torch.as_tensor(amount(dot, bias, length, scale))
        return put(resid, step.expand(len(resid))[:, None] * direction)

    return flip_along


def _flip_in_place(resid, direction, bias, scale):
    resid -= resid - world.flip_along(resid, direction, bias, scale)
    return resid


def _errors(change):
    def legal_move_errors(logits, legal):
        n = legal.sum(-1, keepdim=True)
        rank = logits.argsort(-1, descending=True).argsort(-1)
        return change(logits, legal, rank < n)

    return legal_move_errors


def _errors_with(n):
    def legal_move_errors(logits, legal):
        rank = logits.argsort(-1, descending=True).argsort(-1)
        return ((rank < n(legal)) != legal).sum(-1)

    return legal_move_errors


def _top_two(logits, legal):
    chosen = torch.zeros_like(legal).scatter(1, logits.topk(2, -1).indices, True)
    return (chosen != legal).sum(-1)


def _belief(joint, normalise=lambda rows: rows / rows.sum(-1, keepdim=True)):
    return lambda belief, token, T: normalise(joint(belief, token, T))


def _forward(belief, token, T):
    return torch.einsum("bi,bij->bj", belief, T[token])


def _turned(sign):
    return lambda board: board * sign[: board.shape[1], None]


def _fit_everywhere(inputs, targets, *, ridge):
    X = _with_ones(inputs)
    return torch.linalg.solve(X.T @ X + ridge, X.T @ targets)


def _summed_over_rows(belief, token, T):
    joint = _forward(belief, token, T).sum(0)
    return (joint / joint.sum()).expand_as(belief)


def _belief_in_place(belief, token, T):
    belief[:] = process.belief_update(belief, token, T)
    return belief


# Right answers in other styles.


def _mass_by_square(logits, legal):
    mass = torch.zeros(logits.shape[:-1])
    for square in range(logits.shape[-1]):
        mass = mass + logits.softmax(-1)[..., square] * legal[..., square]
    return mass


def _mass_by_mask(logits, legal):
    everything, allowed = logits.logsumexp(-1), logits.masked_fill(~legal, -torch.inf)
    return (allowed.logsumexp(-1) - everything).exp()


def _board_by_loops(board):
    out = torch.empty_like(board)
    for game in range(board.shape[0]):
        for time in range(board.shape[1]):
            out[game, time] = board[game, time] * (1 if time % 2 == 0 else -1)
    return out


def _board_by_counting(board):
    """Each move adds a disc, and four lie there from the start."""
    n_discs = (board != 0).sum(-1, keepdim=True)
    return torch.where(n_discs % 2 == 0, board, -board)


def _board_by_slices(board):
    relative = board.detach().clone()
    relative[:, 1::2] = -relative[:, 1::2]
    return relative


def _fit_by_more_rows(inputs, targets, *, ridge):
    X = _with_ones(inputs)
    more = ridge**0.5 * torch.eye(X.shape[1] - 1, X.shape[1]).double()
    zeros = torch.zeros(len(more), targets.shape[1]).double()
    return torch.linalg.lstsq(torch.cat([X, more]), torch.cat([targets, zeros])).solution


def _fit_centred(inputs, targets, *, ridge):
    X, Y = inputs - inputs.mean(0), targets - targets.mean(0)
    weights = torch.linalg.inv(X.T @ X + ridge * torch.eye(X.shape[1]).double()) @ X.T @ Y
    return torch.vstack([weights, targets.mean(0) - inputs.mean(0) @ weights])


def _fit_by_scikit_learn(inputs, targets, *, ridge):
    model = Ridge(alpha=ridge, solver="svd").fit(inputs.numpy(), targets.numpy())
    weights = model.coef_.reshape(targets.shape[1], -1).T  # one target comes flat
    return torch.from_numpy(np.vstack([weights, model.intercept_]))


def _flip_by_rows(resid, direction, bias, scale):
    rows = []
    for x, d, b in zip(resid, direction, bias, strict=True):
        rows.append(x - (1 + scale) * (x @ d + b) / (d @ d) * d)
    return torch.stack(rows)


def _flip_by_units(resid, direction, bias, scale):
    length = direction.norm(dim=-1, keepdim=True)
    unit = direction / length
    score = torch.einsum("ed,ed->e", resid, direction)[:, None] + bias[:, None]
    return resid + unit * (-scale * score - score) / length


def _errors_by_rows(logits, legal):
    found = []
    for row, allowed in zip(logits, legal, strict=True):
        best = set(row.topk(int(allowed.sum())).indices.tolist())
        right = set(allowed.nonzero()[:, 0].tolist())
        found.append(float(len(best - right) + len(right - best)))
    return torch.tensor(found)


def _errors_by_threshold(logits, legal):
    n = legal.sum(-1, keepdim=True)
    lowest = logits.sort(-1, descending=True).values.gather(-1, n - 1)
    return ((logits >= lowest) ^ legal).sum(-1).double()


def _belief_by_loops(belief, token, T):
    rows = []
    for b, a in zip(belief, token.tolist(), strict=True):
        joint = torch.stack([(b * T[a, :, j]).sum() for j in range(T.shape[2])])
        rows.append(joint / joint.sum())
    return torch.stack(rows)


def _belief_by_product(belief, token, T):
    joint = torch.bmm(belief[:, None], T[token])[:, 0]
    return torch.nn.functional.normalize(joint, p=1, dim=-1)


def _belief_by_one_hot(belief, token, T):
    seen = torch.nn.functional.one_hot(token, len(T)).to(T)
    joint = torch.einsum("bi,ba,aij->bj", belief, seen, T)
    evidence = (belief * T[token].sum(-1)).sum(-1, keepdim=True)
    return joint / evidence


RIGHT = {
    "legal_mass": [
        ("square by square", _mass_by_square),
        ("logsumexp", _mass_by_mask),
        ("einsum", lambda z, legal: torch.einsum("...s,...s->...", z.softmax(-1), legal.float())),
        ("where", lambda z, legal: torch.where(legal, z.softmax(-1), 0.0).sum(-1)),
    ],
    "relative_board": [
        ("loops", _board_by_loops),
        ("counting discs", _board_by_counting),
        ("slices of a copy", _board_by_slices),
        (
            "powers",
            lambda board: torch.einsum("gts,t->gts", board, (-1) ** torch.arange(board.shape[1])),
        ),
    ],
    "affine_fit": [
        ("more rows", _fit_by_more_rows),
        ("centred and back", _fit_centred),
        ("scikit-learn", _fit_by_scikit_learn),
    ],
    "flip_along": [("loop", _flip_by_rows), ("units", _flip_by_units)],
    "legal_move_errors": [("loop of sets", _errors_by_rows), ("threshold", _errors_by_threshold)],
    "belief_update": [
        ("loops", _belief_by_loops),
        ("bmm", _belief_by_product),
        ("one-hot, evidence", _belief_by_one_hot),
    ],
}

MISTAKES = {
    "legal_mass": [
        ("logits", lambda logits, legal: (logits * legal).sum(-1), "sums of logits"),
        ("time axis", lambda logits, legal: (logits.softmax(1) * legal).sum(-1), "wrong axis"),
        (
            "likeliest square",
            lambda logits, legal: legal.gather(-1, logits.argmax(-1, keepdim=True))[..., 0].float(),
            "likeliest square",
        ),
        (
            "mean over squares",
            lambda logits, legal: (logits.softmax(-1) * legal).mean(-1),
            "mean over all squares",
        ),
        (
            "mean over the legal",
            lambda logits, legal: (logits.softmax(-1) * legal).sum(-1) / legal.sum(-1),
            "mean over the legal squares",
        ),
        ("log-probabilities", lambda z, legal: (z.log_softmax(-1) * legal).sum(-1), "*log*"),
        ("sigmoid", lambda z, legal: (z.sigmoid() * legal).sum(-1), "A sigmoid"),
        ("not normalised", lambda z, legal: (z.exp() * legal).sum(-1), "Not normalised"),
        ("game axis", lambda z, legal: (z.softmax(0) * legal).sum(-1), "wrong axis"),
        (
            "one softmax",
            lambda z, legal: (z.flatten().softmax(0).view_as(z) * legal).sum(-1),
            "all positions at once",
        ),
        ("how many", lambda z, legal: legal.sum(-1).float(), "how many squares"),
        ("likeliest legal", lambda z, legal: (z.softmax(-1) * legal).amax(-1), "likeliest legal"),
        ("games and times", lambda z, legal: (z.softmax(2) * legal).sum(2), "raised IndexError"),
        (
            "in place",
            lambda logits, legal: logits.softmax(-1).mul(legal).sum(-1) + 0 * logits.zero_().sum(),
            "its input `logits`",
        ),
        ("illegal", lambda logits, legal: (logits.softmax(-1) * ~legal).sum(-1), "*illegal*"),
        (
            "masked before the softmax",
            lambda logits, legal: (logits.masked_fill(~legal, -torch.inf).softmax(-1) * legal).sum(
                -1
            ),
            "over all squares",
        ),
        (
            "one number",
            lambda logits, legal: othello.legal_mass(logits, legal).mean(),
            "each position",
        ),
    ],
    "relative_board": [
        ("who moved last", lambda board: -world.relative_board(board), "off by one"),
        ("nothing", lambda board: board, "still black and white"),
        ("always turned", lambda board: -board, "only where white"),
        (
            "squares for times",
            lambda board: board * torch.tensor([1, -1] * 5),
            "middle axis",
        ),
        (
            "games for times",
            lambda board: board * torch.tensor([1, -1, 1])[:, None, None],
            "from game to game",
        ),
        ("in place", _turn_in_place, "its input `board`"),
        ("one turn", _turned(torch.tensor([1, -1, 1, 1, 1])), "again at 3"),
        (
            "black's turns alone",
            _turned(torch.tensor([1, 0, 1, 0, 1])),
            "black is to move came back",
        ),
        ("no colours", lambda board: board.abs(), "colours are lost"),
        (
            "for three games",
            lambda board: board * torch.tensor([1, -1, 1, -1, 1])[:, None],
            "raised RuntimeError",
        ),
        (
            "by pairs",
            lambda board: board * torch.tensor([1, 1, -1, -1, 1])[:, None],
            "every second time",
        ),
    ],
    "affine_fit": [
        ("no bias", _fit(lambda X: X, _all), "bias is missing"),
        (
            "bias first",
            _fit(
                lambda X: _with_ones(X).roll(1, 1),
                lambda ridge, d: torch.tensor([0.0] + [ridge] * (d - 1)),
            ),
            "*last* row",
        ),
        (
            "no ridge",
            _fit(_with_ones, lambda ridge, d: torch.zeros(d)),
            "ridge is ignored",
        ),
        ("ridge on the bias", _fit(_with_ones, _all), "shrinks the bias"),
        (
            "mean of the errors",
            _fit(_with_ones, lambda ridge, d: torch.tensor([30 * ridge] * (d - 1) + [0.0])),
            "n times",
        ),
        (
            "centred",
            _fit(
                lambda X: X - X.mean(0),
                _all,
                lambda w, Y: torch.cat([w, Y.mean(0, keepdim=True)]),
            ),
            "centred",
        ),
        (
            "transposed",
            lambda inputs, targets, *, ridge: _right_fit(inputs, targets, ridge=ridge).T,
            "Transposed",
        ),
        (
            "ridge squared",
            lambda inputs, targets, *, ridge: _right_fit(inputs, targets, ridge=ridge**2),
            "squared",
        ),
        (
            "half of it",
            lambda inputs, targets, *, ridge: _right_fit(inputs, targets, ridge=ridge / 2),
            "counts half",
        ),
        (
            "twice",
            lambda inputs, targets, *, ridge: _right_fit(inputs, targets, ridge=2 * ridge),
            "counts twice",
        ),
        (
            "divided by n",
            lambda inputs, targets, *, ridge: _right_fit(inputs, targets, ridge=ridge / 30),
            "divided by n",
        ),
        ("everywhere", _fit_everywhere, "to the diagonal alone"),
        (
            "zero for the bias",
            _fit(lambda X: X, _all, lambda w, Y: torch.cat([w, 0 * Y[:1]])),
            "its row is zero",
        ),
        (
            "in place",
            _fit(lambda X: _with_ones(X.mul_(2))),
            "its input `inputs`",
        ),
        (
            "one target flat",
            lambda inputs, targets, *, ridge: _right_fit(inputs, targets, ridge=ridge).squeeze(),
            "single target",
        ),
    ],
    "flip_along": [
        ("no bias", _flip(lambda dot, b, n, s: (1 + s) * dot / n), "bias is left out"),
        ("length once", _flip(lambda dot, b, n, s: (1 + s) * (dot + b) / n.sqrt()), "*squared*"),
        ("no length", _flip(lambda dot, b, n, s: (1 + s) * (dot + b)), "not taken out"),
        ("to the line", _flip(lambda dot, b, n, s: s * (dot + b) / n), "as far as the line"),
        ("wrong way", _flip(lambda dot, b, n, s: -(1 + s) * (dot + b) / n), "wrong way"),
        (
            "the step",
            _flip(lambda dot, b, n, s: (1 + s) * (dot + b) / n, lambda resid, step: -step),
            "That is the step",
        ),
        (
            "one step for all",
            _flip(lambda dot, b, n, s: ((1 + s) * (dot + b) / n).mean()),
            "its own score",
        ),
        ("twice the scale", _flip(lambda dot, b, n, s: 2 * s * (dot + b) / n), "At scale 1"),
        ("in place", _flip_in_place, "its input `resid`"),
        ("abs", _flip(lambda dot, b, n, s: ((1 + s) * (dot + b) / n).abs()), "sign of the score"),
        ("relu", _flip(lambda dot, b, n, s: ((1 + s) * (dot + b) / n).relu()), "Only scores above"),
        ("minus the bias", _flip(lambda dot, b, n, s: (1 + s) * (dot - b) / n), "wrong sign"),
        ("scale left out", _flip(lambda dot, b, n, s: 2 * (dot + b) / n), "scale is ignored"),
        ("scale kept", _flip(lambda dot, b, n, s: (1 - s) * (dot + b) / n), "plus scale"),
        (
            "the first one's step",
            _flip(lambda dot, b, n, s: ((1 + s) * (dot + b) / n)[0]),
            "first one's step",
        ),
        (
            "the first one's direction",
            lambda resid, direction, bias, scale: world.flip_along(
                resid, direction[:1].expand_as(resid), bias[:1].expand(len(resid)), scale
            ),
            "first one's direction",
        ),
        (
            "a matrix of scores",
            lambda resid, direction, bias, scale: resid - (resid @ direction.T + bias) @ direction,
            "should be",
        ),
    ],
    "legal_move_errors": [
        (
            "wrong ones alone",
            _errors(lambda logits, legal, chosen: (chosen & ~legal).sum(-1)),
            "missing from them too",
        ),
        (
            "first move alone",
            lambda logits, legal: (~legal.gather(1, logits.argmax(-1)[:, None])[:, 0]).float(),
            "as many as there are legal",
        ),
        ("one N for all", _top_two, "*that* board's"),
        ("largest N", _errors_with(lambda legal: legal.sum(-1).max()), "the largest"),
        ("first N", _errors_with(lambda legal: legal.sum(-1)[0]), "the first board's"),
        ("sum of N", _errors_with(lambda legal: legal.sum()), "sum over the batch"),
        (
            "one more",
            _errors_with(lambda legal: legal.sum(-1, keepdim=True) + 1),
            "*below* N",
        ),
        (
            "argsort once",
            lambda logits, legal: (
                (logits.argsort(-1, descending=True) < legal.sum(-1, keepdim=True)) != legal
            ).sum(-1),
            "sort once more",
        ),
        (
            "mean over squares",
            lambda logits, legal: world.legal_move_errors(logits, legal) / logits.shape[-1],
            "mean over the squares",
        ),
        ("one fewer", _errors_with(lambda legal: legal.sum(-1, keepdim=True) - 1), "N - 1"),
        ("smallest N", _errors_with(lambda legal: legal.sum(-1).min()), "the smallest"),
        (
            "boards against boards",
            lambda logits, legal: (
                ((-logits).argsort(0).argsort(0) < legal.sum(-1, keepdim=True)) != legal
            ).sum(-1),
            "against each other",
        ),
        (
            "a share",
            lambda logits, legal: world.legal_move_errors(logits, legal) / legal.sum(-1),
            "share of the legal",
        ),
        (
            "whole numbers",
            lambda logits, legal: world.legal_move_errors(logits, legal).long(),
            "`.float()`",
        ),
        (
            "no board of one",
            lambda logits, legal: world.legal_move_errors(logits, legal).squeeze(),
            "single board",
        ),
        ("hits", _errors(lambda logits, legal, chosen: (chosen & legal).sum(-1)), "hits"),
        (
            "lowest",
            lambda logits, legal: world.legal_move_errors(-logits, legal),
            "*lowest*",
        ),
        ("above zero", lambda logits, legal: ((logits > 0) != legal).sum(-1), "above 0"),
        (
            "one number",
            lambda logits, legal: world.legal_move_errors(logits, legal).mean(),
            "each board",
        ),
    ],
    "belief_update": [
        ("not normalised", _belief(_forward, lambda rows: rows), "Not normalised"),
        (
            "transposed",
            _belief(lambda belief, token, T: torch.einsum("bij,bj->bi", T[token], belief)),
            "Transposed",
        ),
        ("no move", _belief(lambda belief, token, T: belief * T[token].sum(-1)), "not moved"),
        ("no token", lambda belief, token, T: belief @ T.sum(0), "token is ignored"),
        ("one token for all", _belief(lambda belief, token, T: belief @ T[token[0]]), "the first:"),
        ("the last token", _belief(lambda belief, token, T: belief @ T[token[-1]]), "the last:"),
        ("summed over rows", _summed_over_rows, "added up over the batch"),
        ("no batch of one", lambda b, a, T: process.belief_update(b, a, T).squeeze(), "single row"),
        ("in place", _belief_in_place, "its input `belief`"),
        (
            "divided by the whole",
            _belief(_forward, lambda rows: rows / rows.sum()),
            "the whole batch",
        ),
        (
            "no belief",
            _belief(lambda belief, token, T: T[token].sum(1)),
            "belief from before",
        ),
        (
            "over the batch",
            _belief(_forward, lambda rows: rows / rows.sum(0)),
            "over the batch",
        ),
        ("softmax", _belief(_forward, lambda rows: rows.softmax(-1)), "softmax"),
        (
            "entry by entry",
            _belief(lambda belief, token, T: belief * T[token].sum(1)),
            "entry by entry",
        ),
    ],
}

# The library's version is a `ridge` that gives the bias apart.
ADAPTED = {"affine_fit": _right_fit}
