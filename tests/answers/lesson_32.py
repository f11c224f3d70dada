"""Lesson 3.2: the library's version of each exercise, and plausible wrong answers."""

import math

import numpy as np
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


def _raw_radians(change, angles, cos, sin, one):
    _, b, c = _fit(change, one, cos, sin)
    return torch.atan2(c, b)


def _raw_size(change, angles, cos, sin, one):
    return _whole_turns(change, angles, cos, sin, one).abs()


def _quotient(change, angles, cos, sin, one):
    _, b, c = _fit(change, one, cos, sin)
    return torch.rad2deg(torch.atan(c / b)) % 360


def _vectors_in_place(resid, n_words):
    resid -= resid.mean(0)
    return resid.unflatten(0, (n_words, -1)).mean(1)


def _axes_with_another_default(vectors, angles, *, ridge=1.0):
    return circle.circle_axes(vectors, angles, ridge=ridge)


def _span_in_place(vectors, span):
    vectors -= vectors - circle.without_span(vectors, span)
    return vectors


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
        if scale == "raw":
            penalty = ridge * vectors.square().sum(1).mean()
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
        ("below 0 cut off", lambda a, b: ((a - b + 180) % 360 - 180).relu(), "counts as well"),
        ("mean", lambda a, b: circle.angular_error(a, b).mean(), "one number for all pairs"),
        ("whole degrees", lambda a, b: circle.angular_error(a, b).round(), "The errors should be"),
        (
            "pair by pair",
            lambda a, b: (
                torch.stack(
                    [circle.angular_error(x, y) for x, y in zip(a, b.expand(len(a)), strict=True)]
                )
                if a.ndim == 1
                else circle.angular_error(a[:, 0], b)
            ),
            "For a table of angles",
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
        ("radians from -pi", _angle(_raw_radians), "from -pi to pi"),
        ("size of the angle", _angle(_raw_size), "by their size"),
        ("arc tangent of the quotient", _angle(_quotient), "use `atan2`"),
        (
            "three words",
            _angle(lambda change, angles, *_: circle.measured_angle(change[:, ::3], angles[::3])),
            "The angles should be",
        ),
        (
            "changes by size",
            _angle(lambda change, angles, *_: circle.measured_angle(change.abs(), angles)),
            "signs of the changes",
        ),
        (
            "gains alone",
            _angle(lambda change, angles, *_: circle.measured_angle(change.relu(), angles)),
            "below 0 are left out",
        ),
        (
            "mean over rows",
            _angle(lambda change, angles, *_: circle.measured_angle(change.mean(0), angles)),
            "one angle for all rows",
        ),
        (
            "the first row's",
            _angle(
                lambda change, angles, *_: circle.measured_angle(change[:1], angles).expand(
                    len(change)
                )
            ),
            "the first one's angle",
        ),
        (
            "mirrored",
            _angle(lambda change, angles, *_: circle.measured_angle(change, -angles)),
            "mirror image",
        ),
        (
            "lowest",
            _angle(lambda change, angles, *_: circle.measured_angle(-change, angles)),
            "where the wave is lowest",
        ),
        (
            "sorted",
            _angle(lambda change, angles, *_: circle.measured_angle(change, angles).sort().values),
            "The angles should be",
        ),
        (
            "squeezed",
            _angle(lambda change, angles, *_: circle.measured_angle(change, angles).squeeze()),
            "The axis is lost",
        ),
    ],
    "emotion_vectors": [
        ("no grand mean", _vectors(lambda r, m, n: m), "grand mean is still"),
        ("interleaved", _vectors(_interleaved), "neighbours"),
        ("not averaged", _vectors(lambda r, m, n: r - r.mean(0)), "not averaged"),
        ("own mean", _vectors(lambda r, m, n: m - m.mean(1, keepdim=True)), "over its dimensions"),
        ("sign", _vectors(lambda r, m, n: m.mean(0) - m), "sign is wrong"),
        ("unit length", _vectors(lambda r, m, n: _unit(m - m.mean(0))), "length 1"),
        ("spread", _vectors(lambda r, m, n: (m - m.mean(0)) / m.std(0)), "divided by their spread"),
        ("one number", _vectors(lambda r, m, n: m - m.mean()), "one number"),
        ("first word", _vectors(lambda r, m, n: m - m[0]), "first word's vector"),
        (
            "mean of the others",
            _vectors(lambda r, m, n: (m - m.mean(0)) * n / (n - 1)),
            "the *other* words",
        ),
        ("sizes", _vectors(lambda r, m, n: (m - m.mean(0)).abs()), "signs are lost"),
        ("sum", _vectors(lambda r, m, n: (m - m.mean(0)) * len(r) / n), "summed over"),
        (
            "first sentences",
            _vectors(lambda r, m, n: r[:: len(r) // n] - r[:: len(r) // n].mean(0)),
            "first sentence of each",
        ),
        (
            "four sentences",
            lambda resid, n_words: circle.emotion_vectors(resid, len(resid) // 4),
            "(4 words with 3 sentences each)",
        ),
        ("in place", _vectors_in_place, "changes its input `resid`"),
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
        ("smaller", _circularity(lambda f, a, r: r.min()), "take the larger"),
        ("sum of points", _circularity(lambda f, a, r: r.max() * len(a)), "a *sum* of points"),
        ("six words", _circularity(lambda f, a, r: r.max() * len(a) / 6), "For 4 angles"),
        ("rounded", _circularity(lambda f, a, r: r.max().round()), "do not round"),
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
        ("signs of QR", _axes(ready=lambda s: torch.linalg.qr(s.T).Q.T), "QR, for one"),
        ("reversed", _axes(ready=lambda s: -circle.orthonormal(s)), "Both axes point"),
        ("exchanged", _axes(ready=lambda s: circle.orthonormal(s).flip(0)), "comes first"),
        ("degrees as radians", _axes(points=_no_radians), "want radians"),
        ("vectors not centred", _axes(centre_x=False), "vectors were not centred"),
        ("absolute penalty", _axes(scale="none"), "as it is"),
        ("mean over entries", _axes(scale="entries"), "all entries"),
        ("sum over words", _axes(scale="sum"), "took the sum"),
        ("default penalty", _axes(use=False), "default penalty"),
        ("size of what is not centred", _axes(scale="raw"), "measure it"),
        (
            "exchanged before",
            _axes(ready=lambda s: circle.orthonormal(s.flip(0))),
            "and valence is kept",
        ),
        ("columns", _axes(ready=lambda s: circle.orthonormal(s).T), "should be the rows"),
        (
            "valence turned",
            _axes(ready=lambda s: circle.orthonormal(s) * torch.tensor([[-1.0], [1.0]])),
            "Valence points the wrong way",
        ),
        (
            "arousal turned",
            _axes(ready=lambda s: circle.orthonormal(s) * torch.tensor([[1.0], [-1.0]])),
            "Arousal points the wrong way",
        ),
        ("another default", _axes_with_another_default, "default ridge"),
        ("a pair", _axes(ready=lambda s: tuple(circle.orthonormal(s))), "should be a tensor"),
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
        ("unit", _span(lambda v, s, u: _unit(circle.without_span(v, s))), "brought to length 1"),
        ("added", _span(lambda v, s, u: 2 * v - circle.without_span(v, s)), "subtract it"),
        ("squeezed", _span(lambda v, s, u: circle.without_span(v, s).squeeze()), "axis is lost"),
        ("in place", _span_in_place, "changes its input `vectors`"),
    ],
}


def _angle_by_lstsq(change, angles):
    radians = np.deg2rad(angles.numpy())
    design = np.stack([np.ones_like(radians), np.cos(radians), np.sin(radians)], axis=1)
    found = [np.linalg.lstsq(design, row, rcond=None)[0] for row in change.numpy()]
    return torch.tensor([math.degrees(math.atan2(c, b)) % 360 for _, b, c in found])


def _angle_by_normal_equations(change, angles):
    x = torch.cat([_points(angles.double()), torch.ones(len(angles), 1)], dim=1)
    waves = torch.linalg.solve(x.T @ x, x.T @ change.double().T)
    found = torch.rad2deg(torch.complex(waves[0], waves[1]).angle())
    return torch.where(found < 0, found + 360, found)


def _vectors_by_loop(resid, n_words):
    each = len(resid) // n_words
    rows = [resid[i * each : (i + 1) * each].mean(dim=0) for i in range(n_words)]
    return torch.stack([row - resid.mean(dim=0) for row in rows])


def _vectors_by_einsum(resid, n_words):
    owner = torch.arange(n_words).repeat_interleave(len(resid) // n_words)
    one_hot = torch.nn.functional.one_hot(owner, n_words).double()
    means = torch.einsum("sw,sd->wd", one_hot / one_hot.sum(0), resid.double())
    return means - means.mean(0, keepdim=True)


def _circularity_by_complex(found, angles):
    found, angles = (torch.exp(1j * torch.deg2rad(each.double())) for each in (found, angles))
    return max((found * angles.conj()).mean().abs(), (found * angles).mean().abs())


def _circularity_by_numpy(found, angles):
    lengths = []
    for sign in (1, -1):
        turned = np.radians(found.numpy() + sign * angles.numpy())
        lengths.append(np.hypot(np.cos(turned).mean(), np.sin(turned).mean()))
    return float(max(lengths))


def _axes_in_the_large(vectors, angles, *, ridge=0.1):
    x = (vectors - vectors.mean(0)).double()
    penalty = ridge * x.norm(dim=1).pow(2).mean()
    slopes = torch.linalg.solve(
        x.T @ x + penalty * torch.eye(x.shape[1]), x.T @ _points(angles.double())
    )
    valence = slopes[:, 0] / slopes[:, 0].norm()
    arousal = slopes[:, 1] - torch.outer(valence, valence) @ slopes[:, 1]
    return torch.stack([valence, arousal / arousal.norm()])


def _axes_by_qr(vectors, angles, *, ridge=0.1):
    from sklearn.linear_model import Ridge

    size = (vectors - vectors.mean(0)).square().sum(1).mean().item()
    fitted = Ridge(alpha=ridge * size).fit(vectors.numpy(), _points(angles).numpy())
    Q, R = torch.linalg.qr(torch.from_numpy(fitted.coef_).float().T)
    return (Q * R.diagonal().sign()).T


def _span_by_solve(vectors, span):
    return vectors - vectors @ span.T @ torch.linalg.solve(span @ span.T, span)


def _span_by_gram_schmidt(vectors, span):
    basis = []
    for direction in span:
        for other in basis:
            direction = direction - (direction @ other) * other
        basis.append(direction / direction.norm())
    left = vectors.clone()
    for each in basis:
        left -= torch.einsum("nd,d,e->ne", left, each, each)
    return left


RIGHT = {
    "angular_error": [
        ("by the sign", lambda a, b: ((a - b + 180) % 360 - 180).abs()),
        (
            "by the arc cosine",
            lambda a, b: torch.rad2deg(torch.deg2rad((a - b).double()).cos().clamp(-1, 1).acos()),
        ),
        (
            "numpy",
            lambda a, b: torch.from_numpy(180 - np.abs(180 - np.abs(a.numpy() - b.numpy()) % 360)),
        ),
    ],
    "measured_angle": [
        ("numpy, row by row", _angle_by_lstsq),
        ("normal equations", _angle_by_normal_equations),
    ],
    "emotion_vectors": [
        ("a loop", _vectors_by_loop),
        ("einsum", _vectors_by_einsum),
        (
            "view",
            lambda resid, n_words: (
                resid.detach().view(n_words, -1, resid.shape[-1]).mean(1) - resid.mean(0)
            ),
        ),
    ],
    "circularity": [("complex", _circularity_by_complex), ("a float", _circularity_by_numpy)],
    "circle_axes": [("in d_model dimensions", _axes_in_the_large), ("QR, mended", _axes_by_qr)],
    "without_span": [
        ("solve", _span_by_solve),
        ("Gram-Schmidt", _span_by_gram_schmidt),
        ("pseudo-inverse", lambda vectors, span: vectors - vectors @ span.pinverse() @ span),
    ],
}
