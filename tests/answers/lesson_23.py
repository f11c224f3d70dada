"""Lesson 2.3: the library's version of each exercise, and plausible wrong answers."""

import torch

from data.othello import task as othello
from utils import stats
from utils.reading import world


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
    found = stats.ridge(inputs, targets, penalty=ridge)
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
            lambda board: board * torch.tensor([1, -1, 1, -1]),
            "middle axis",
        ),
        (
            "games for times",
            lambda board: board * torch.tensor([1, -1])[:, None, None],
            "from game to game",
        ),
        ("in place", _turn_in_place, "`board` itself was changed"),
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
        ("in place", _flip_in_place, "`resid` itself was changed"),
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
        ("first N", _errors_with(lambda legal: legal.sum(-1)[0]), "one for the batch"),
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
        ("one token for all", _belief(lambda belief, token, T: belief @ T[token[0]]), "its own"),
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
