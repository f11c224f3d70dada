"""Lesson 3.2: the library's version of each exercise, and plausible wrong answers."""

import torch

from utils.writing import circle


def _points(angles):
    return torch.stack([torch.deg2rad(angles).cos(), torch.deg2rad(angles).sin()], dim=1)


def _fit(change, *columns):
    return (change @ torch.linalg.pinv(torch.stack(columns, dim=1)).T).T


def _degrees(y, x):
    return torch.rad2deg(torch.atan2(y, x)) % 360


def _angle(answer):
    def measured_angle(change, angles):
        cos, sin = _points(angles).T
        return answer(change, angles, cos, sin, torch.ones_like(angles))

    return measured_angle


def _weighted(change, angles, cos, sin, one):
    return _degrees(change @ sin, change @ cos)


def _centred_weighted(change, angles, cos, sin, one):
    return _weighted(change - change.mean(1, keepdim=True), angles, cos, sin, one)


def _no_constant(change, angles, cos, sin, one):
    b, c = _fit(change, cos, sin)
    return _degrees(c, b)


def _exchanged(change, angles, cos, sin, one):
    _, b, c = _fit(change, one, cos, sin)
    return _degrees(b, c)


def _degrees_as_radians(change, angles, cos, sin, one):
    _, b, c = _fit(change, one, angles.cos(), angles.sin())
    return _degrees(c, b)


def _whole_turns(change, angles, cos, sin, one):
    _, b, c = _fit(change, one, cos, sin)
    return torch.rad2deg(torch.atan2(c, b))


def _radians(change, angles, cos, sin, one):
    return torch.deg2rad(circle.measured_angle(change, angles))


def _vectors(answer):
    def emotion_vectors(resid, n_words):
        return answer(resid, resid.unflatten(0, (n_words, -1)).mean(1), n_words)

    return emotion_vectors


def _interleaved(resid, means, n_words):
    means = resid.unflatten(0, (-1, n_words)).mean(0)
    return means - means.mean(0)


def _circularity(answer):
    def circularity(found, angles):
        lengths = [_points(found + sign * angles).mean(0).norm() for sign in (-1, 1)]
        return answer(found, angles, torch.stack(lengths))

    return circularity


def _unconverted(found, angles, lengths):
    both = [found - angles, found + angles]
    return max(torch.stack([x.cos().mean(), x.sin().mean()]).norm() for x in both)


def _axes(*, centre_x=True, scale=None, use=True, ready=None, points=_points):
    def circle_axes(vectors, angles, *, ridge=0.1):
        x = vectors - vectors.mean(0) if centre_x else vectors
        y = points(angles)
        y = y - y.mean(0)
        penalty = (ridge if use else 0.1) * (x.square().sum(1).mean() if scale is None else 1)
        if scale == "entries":
            penalty = ridge * x.square().mean()
        if scale == "sum":
            penalty = ridge * x.square().sum()
        slopes = (x.T @ torch.linalg.solve(x @ x.T + penalty * torch.eye(len(x)), y)).T
        return (ready or circle.orthonormal)(slopes)

    return circle_axes


def _unit(slopes):
    return slopes / slopes.norm(dim=1, keepdim=True)


def _arousal_not_scaled(slopes):
    v = slopes[0] / slopes[0].norm()
    return torch.stack([v, slopes[1] - (slopes[1] @ v) * v])


def _scaled_too_early(slopes):
    v, a = _unit(slopes)
    return torch.stack([v, a - (a @ v) * v])


def _no_radians(angles):
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def _span(answer):
    def without_span(vectors, span):
        return answer(vectors, span, _unit(span))

    return without_span


def _one_by_one(vectors, span, unit):
    for direction in unit:
        vectors = vectors - (vectors @ direction)[:, None] * direction
    return vectors


def _mean_only(vectors, span, unit):
    mean = span.mean(0) / span.mean(0).norm()
    return vectors - (vectors @ mean)[:, None] * mean


MISTAKES = {
    "angular_error": [
        ("plain difference", lambda a, b: (a - b).abs(), "difference of the numbers"),
        ("modulo only", lambda a, b: (a - b).abs() % 360, "short way round may be the other"),
        (
            "the long way",
            lambda a, b: torch.maximum((a - b).abs() % 360, 360 - (a - b).abs() % 360),
            "long way round",
        ),
        ("signed", lambda a, b: (a - b + 180) % 360 - 180, "no sign"),
        (
            "no modulo",
            lambda a, b: torch.minimum((a - b).abs(), (360 - (a - b).abs()).abs()),
            "outside 0 to 360",
        ),
        ("radians", lambda a, b: torch.deg2rad(circle.angular_error(a, b)), "in radians"),
        (
            "modulo 180",
            lambda a, b: torch.minimum((a - b).abs() % 180, 180 - (a - b).abs() % 180),
            "Opposite feelings",
        ),
    ],
    "measured_angle": [
        ("weighted mean direction", _angle(_weighted), "points at the crowd"),
        ("weighted mean of centred changes", _angle(_centred_weighted), "still count more"),
        ("no constant", _angle(_no_constant), "no constant a"),
        ("sine and cosine exchanged", _angle(_exchanged), "exchanged"),
        ("degrees as radians", _angle(_degrees_as_radians), "want radians"),
        (
            "best word",
            _angle(lambda change, angles, *_: angles[change.argmax(1)]),
            "gained most",
        ),
        ("not brought into 0 to 360", _angle(_whole_turns), "whole turns"),
        ("radians", _angle(_radians), "in degrees"),
    ],
    "emotion_vectors": [
        ("no grand mean", _vectors(lambda r, m, n: m), "grand mean is still"),
        ("interleaved", _vectors(_interleaved), "neighbours"),
        ("not averaged", _vectors(lambda r, m, n: r - r.mean(0)), "not averaged"),
        ("own mean", _vectors(lambda r, m, n: m - m.mean(1, keepdim=True)), "over its dimensions"),
        ("sign", _vectors(lambda r, m, n: m.mean(0) - m), "sign is wrong"),
        ("unit length", _vectors(lambda r, m, n: _unit(m - m.mean(0))), "length 1"),
    ],
    "circularity": [
        (
            "cosine only",
            _circularity(lambda f, a, r: torch.deg2rad(f - a).cos().mean()),
            "not its cosine",
        ),
        ("no reflection", _circularity(lambda f, a, r: r[0]), "mirrored circle"),
        ("reflection only", _circularity(lambda f, a, r: r[1]), "sums alone"),
        ("sum", _circularity(lambda f, a, r: r.sum()), "not their sum"),
        ("mean", _circularity(lambda f, a, r: r.mean()), "not their mean"),
        ("square", _circularity(lambda f, a, r: r.max() ** 2), "root is missing"),
        ("degrees as radians", _circularity(_unconverted), "want radians"),
    ],
    "circle_axes": [
        ("slopes", _axes(ready=lambda slopes: slopes), "as they come"),
        ("not orthogonal", _axes(ready=_unit), "not at a right angle"),
        ("arousal not scaled", _axes(ready=_arousal_not_scaled), "divide *last*"),
        ("arousal scaled too early", _axes(ready=_scaled_too_early), "once more"),
        (
            "valence gives way",
            _axes(ready=lambda s: circle.orthonormal(s.flip(0)).flip(0)),
            "valence gave way",
        ),
        ("signs of QR", _axes(ready=lambda s: torch.linalg.qr(s.T).Q.T), "QR leaves signs open"),
        ("reversed", _axes(ready=lambda s: -circle.orthonormal(s)), "Both axes point"),
        ("exchanged", _axes(ready=lambda s: circle.orthonormal(s).flip(0)), "comes first"),
        ("degrees as radians", _axes(points=_no_radians), "want radians"),
        ("vectors not centred", _axes(centre_x=False), "vectors were not centred"),
        ("absolute penalty", _axes(scale="none"), "as it is"),
        ("mean over entries", _axes(scale="entries"), "all entries"),
        ("sum over words", _axes(scale="sum"), "took the sum"),
        ("default penalty", _axes(use=False), "default penalty"),
    ],
    "without_span": [
        (
            "inside",
            _span(lambda v, s, u: v - circle.without_span(v, s)),
            "part *inside*",
        ),
        ("as if orthogonal", _span(lambda v, s, u: v - v @ u.T @ u), "at right angles"),
        ("one by one", _span(_one_by_one), "one direction after the other"),
        ("not unit", _span(lambda v, s, u: v - v @ s.T @ s), "unlike lengths"),
        ("mean direction", _span(_mean_only), "several"),
        (
            "first only",
            _span(lambda v, s, u: v - (v @ u[0])[:, None] * u[0]),
            "first direction",
        ),
    ],
}
