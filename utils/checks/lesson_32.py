"""Checks of lesson 3.2, the emotion circle."""

import math

import torch

from utils.checks.engine import Wrong, exercise, expect, match


def _wave(angles: torch.Tensor, towards: float, size: float, offset: float) -> torch.Tensor:
    return offset + size * torch.deg2rad(angles - towards).cos()


def _circle(angles: torch.Tensor) -> torch.Tensor:
    radians = torch.deg2rad(angles)
    return torch.stack([radians.cos(), radians.sin()], dim=1)


@exercise("utils.writing.circle.angular_error")
def check_angular_error(angular_error) -> str:
    """Pairs on both sides of 0, and angles outside 0 to 360."""
    a = torch.tensor([350.0, 10.0, 90.0, 270.0, -10.0, 725.0, 30.0])
    b = torch.tensor([10.0, 350.0, 100.0, 90.0, 340.0, 10.0, 30.0])
    plain = (a - b).abs()
    match(
        angular_error(a.clone(), b.clone()),
        torch.tensor([20.0, 20, 10, 180, 10, 5, 0]),
        what="The errors",
        mistakes={
            "That is the difference of the numbers: 350 and 10 are 20 degrees apart.": plain,
            "The difference is brought into 0 to 360, but the short way round may be the other "
            "one: 340 one way is 20 the other.": plain % 360,
            "You took the long way round.": torch.maximum(plain % 360, 360 - plain % 360),
            "An error has no sign: take the distance, from 0 to 180.": (a - b + 180) % 360 - 180,
            "Angles outside 0 to 360 go wrong: bring the difference into 0 to 360 "
            "first.": torch.minimum(plain, (360 - plain).abs()),
            "The result is in radians, and should be in degrees.": torch.deg2rad(
                torch.tensor([20.0, 20, 10, 180, 10, 5, 0])
            ),
            "Opposite feelings are 180 apart, not 0: use `% 360`.": torch.minimum(
                plain % 180, 180 - plain % 180
            ),
        },
    )
    return "The short way round, for angles of any size."


@exercise("utils.writing.circle.measured_angle")
def check_measured_angle(measured_angle) -> str:
    """Perfect waves, on words that crowd, with an offset that all words share.

    No wave is highest at 0, where rounding decides between 0 and a full turn.
    """
    angles = torch.tensor([10.0, 20.0, 25.0, 30.0, 120.0, 200.0, 290.0])
    wanted = torch.tensor([40.0, 75.0, 160.0, 250.0, 330.0])
    change = torch.stack(
        [
            _wave(angles, t, size, 4.0)
            for t, size in zip(wanted.tolist(), (1.0, 2.0, 0.5, 3.0, 1.0), strict=True)
        ]
    )
    points = _circle(angles)
    centred = change - change.mean(1, keepdim=True)

    def solved(design: torch.Tensor) -> torch.Tensor:
        return change @ torch.linalg.pinv(design).T

    def to_degrees(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.rad2deg(torch.atan2(y, x)) % 360

    ones = torch.ones(len(angles), 1)
    abc = solved(torch.cat([ones, points], dim=1))
    without, weighted, centred_mean = solved(points), change @ points, centred @ points
    unturned = solved(torch.cat([ones, torch.stack([angles.cos(), angles.sin()], 1)], 1))
    highest = angles[change.argmax(1)]
    raw = torch.rad2deg(torch.atan2(abc[:, 2], abc[:, 1]))
    match(
        measured_angle(change.clone(), angles.clone()),
        wanted,
        what="The angles",
        mistakes={
            "That is the mean direction of the words, weighted by their change. What all words "
            "gain then points at the crowd: fit a + b cos + c sin instead.": to_degrees(
                weighted[:, 1], weighted[:, 0]
            ),
            "You took the mean of the changes away, but then averaged directions. Words that crowd "
            "still count more: fit the wave by least squares.": to_degrees(
                centred_mean[:, 1], centred_mean[:, 0]
            ),
            "The fit has no constant a, so what all words gain has to be explained by the "
            "wave.": to_degrees(without[:, 1], without[:, 0]),
            "Sine and cosine are exchanged: `atan2` takes the sine's coefficient "
            "first.": to_degrees(abc[:, 1], abc[:, 2]),
            "Angles are in degrees, and `cos` and `sin` want radians.": to_degrees(
                unturned[:, 2], unturned[:, 1]
            ),
            "That is the angle of the word that gained most. Use all words: fit the wave.": highest,
            "These are right up to whole turns: bring them into 0 to 360.": raw,
            "These are radians; the answer is in degrees.": torch.deg2rad(wanted),
            "`atan` cannot tell a direction from its opposite: use `atan2`.": torch.rad2deg(
                torch.atan(abc[:, 2] / abc[:, 1])
            )
            % 360,
        },
    )
    return "The wave's top, whatever all words gain and wherever they crowd."


@exercise("utils.writing.circle.emotion_vectors")
def check_emotion_vectors(emotion_vectors) -> str:
    """Three words with four sentences each, five dimensions."""
    resid = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)) + 3
    means = resid.view(3, 4, 5).mean(1)
    interleaved = resid.view(4, 3, 5).mean(0)
    unit = torch.nn.functional.normalize(means - means.mean(0), dim=1)
    match(
        emotion_vectors(resid.clone(), 3),
        means - means.mean(0),
        what="The vectors",
        mistakes={
            "The grand mean is still in them: subtract the mean over all words.": means,
            "The sentences of a word are *neighbours*: the first four rows are the first "
            "word.": interleaved - interleaved.mean(0),
            "The sentences were not averaged: one vector for each word.": resid - resid.mean(0),
            "You subtracted each vector's own mean over its dimensions. Subtract one vector, the "
            "mean over the words.": means - means.mean(1, keepdim=True),
            "The sign is wrong: the word's mean minus the mean of all.": means.mean(0) - means,
            "You summed over the sentences: take their mean.": 4 * (means - means.mean(0)),
            "The vectors were brought to length 1: leave their lengths.": unit,
        },
    )
    return "What sets each word apart from the others."


@exercise("utils.writing.circle.circularity")
def check_circularity(circularity) -> str:
    """Angles that were turned, mirrored, and dealt out."""
    angles = torch.tensor([5.0, 40.0, 80.0, 130.0, 200.0, 310.0])

    def length(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.deg2rad(x).cos().mean(), torch.deg2rad(x).sin().mean()]).norm()

    def in_degrees(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.cos().mean(), x.sin().mean()]).norm()

    one = torch.tensor(1.0)
    turned, mirrored = (angles + 100) % 360, (50 - angles) % 360
    match(
        circularity(turned.clone(), angles.clone()),
        one,
        what="For a circle that was turned by 100 degrees the circularity",
        mistakes={
            "A rotation is allowed, and should give 1: take the *length* of the mean point, not "
            "its cosine.": torch.deg2rad(turned - angles).cos().mean(),
            "That is what the sums alone give, for a reflection: look at `found - angles` as "
            "well.": length(turned + angles),
            "The larger of the two counts, not their sum.": 1 + length(turned + angles),
            "The larger of the two counts, not their mean.": (1 + length(turned + angles)) / 2,
            "`cos` and `sin` want radians: `torch.deg2rad`.": torch.maximum(
                in_degrees(turned - angles), in_degrees(turned + angles)
            ),
        },
    )
    match(
        circularity(mirrored.clone(), angles.clone()),
        one,
        what="For a circle that was mirrored the circularity",
        mistakes={
            "A mirrored circle is allowed too, and should give 1: look at `found + angles` as "
            "well.": length(mirrored - angles),
        },
    )
    found = torch.tensor([200.0, 10.0, 300.0, 80.0, 40.0, 150.0])
    lengths = torch.stack([length(found - angles), length(found + angles)])
    match(
        circularity(found.clone(), angles.clone()),
        lengths.max(),
        what="For angles that hardly agree the circularity",
        mistakes={
            "The mean of the cosines' sizes was taken: average the points first, then take the "
            "length.": one,
            "The larger of the two counts, not their sum.": lengths.sum(),
            "The length is the root of the sum of squares: that root is missing.": lengths.max()
            ** 2,
        },
    )
    return "1 for a turned or mirrored circle, and less for anything else."


@exercise("utils.writing.circle.circle_axes")
def check_circle_axes(circle_axes) -> str:
    """Words on a planted, skewed ellipse in seven dimensions, off the origin."""
    angles = torch.tensor([10.0, 60.0, 100.0, 170.0, 220.0, 300.0, 320.0, 330.0, 345.0])
    random = torch.Generator().manual_seed(2)
    plane = torch.randn(2, 7, generator=random)
    plane[1] += 1.5 * plane[0]  # the two slopes overlap, so that every step shows
    x = _circle(angles) @ plane + 0.3 * torch.randn(9, 7, generator=random)
    x = x + torch.tensor([2.0, -1, 0, 3, 0, 1, 0])
    ridge = 0.3

    def fitted(x, y, ridge, *, centre_x=True):
        x = x - x.mean(0) if centre_x else x
        y = y - y.mean(0)
        penalty = ridge * x.square().sum(1).mean()
        return (x.T @ torch.linalg.solve(x @ x.T + penalty * torch.eye(len(x)), y)).T

    def made(slopes, first=0):
        v = slopes[first] / slopes[first].norm()
        a = slopes[1 - first] - (slopes[1 - first] @ v) * v
        pair = [v, a / a.norm()]
        return torch.stack(pair if first == 0 else pair[::-1])

    slopes = fitted(x, _circle(angles), ridge)
    unit = slopes / slopes.norm(dim=1, keepdim=True)
    got = circle_axes(x.clone(), angles.clone(), ridge=ridge)
    if not isinstance(got, torch.Tensor):
        raise Wrong("Return one tensor, [2, d_model]: valence, then arousal.")
    expect(
        got.shape == (2, 7),
        f"The axes should have shape (2, 7), valence and arousal as rows; yours have "
        f"{tuple(got.shape)}.",
    )
    right = made(slopes)
    swapped = right.flip(0)
    half_done = torch.stack([unit[0], slopes[1] - (slopes[1] @ unit[0]) * unit[0]])
    too_early = torch.stack([unit[0], unit[1] - (unit[1] @ unit[0]) * unit[0]])
    degrees = torch.stack([angles.cos(), angles.sin()], dim=1)
    sizes = x - x.mean(0)
    absolute = ridge / sizes.square().sum(1).mean()
    match(
        got,
        right,
        what="The axes",
        mistakes={
            "These are the slopes as they come: make both of length 1, and arousal orthogonal to "
            "valence.": slopes,
            "Both have length 1, but they are not at a right angle: take out of arousal its part "
            "along valence.": unit,
            "The part along valence is out, but arousal has no longer length 1: divide "
            "*last*.": half_done,
            "Both had length 1 before arousal lost its part along valence, and now arousal is "
            "shorter: divide it once more, *last*.": too_early,
            "Arousal was kept, and valence gave way: keep valence as it is.": made(slopes, 1),
            "Valence points the wrong way: keep the slope's own direction.": right
            * torch.tensor([[-1.0], [1.0]]),
            "Arousal points the wrong way: keep the slope's own direction.": right
            * torch.tensor([[1.0], [-1.0]]),
            "Both axes point the wrong way: keep the slopes' own directions.": -right,
            "Valence comes first, arousal second.": swapped,
            "The angles are in degrees, and `cos` and `sin` want radians.": made(
                fitted(x, degrees, ridge)
            ),
            "The vectors were not centred: subtract their mean over the words.": made(
                fitted(x, _circle(angles), ridge, centre_x=False)
            ),
            "`ridge` is in units of the mean squared length of the centred vectors, and you added "
            "it as it is.": made(fitted(x, _circle(angles), absolute)),
            "The penalty is the mean over words of their squared length; you took the mean over "
            "all entries.": made(fitted(x, _circle(angles), ridge / 7)),
            "The penalty is the *mean* over words of their squared length; you took the sum.": made(
                fitted(x, _circle(angles), ridge * len(x))
            ),
            "Is `ridge` used? That is the fit without a penalty.": made(
                fitted(x, _circle(angles), 1e-7)
            ),
            "That is the fit with the default penalty: use the argument.": made(
                fitted(x, _circle(angles), 0.1)
            ),
        },
    )
    match(
        circle_axes(-x, angles.clone(), ridge=ridge),
        -right,
        what="When all vectors are turned round, the axes",
        mistakes={
            "An axis points the wrong way: QR leaves signs open. Keep the slopes' own directions: "
            "when all vectors are turned round, the axes must turn round too.": right,
        },
    )
    return "Two directions of length 1, at a right angle, valence first."


@exercise("utils.writing.circle.without_span")
def check_without_span(without_span) -> str:
    """Three vectors, and a span of three directions that are neither unit nor orthogonal."""
    random = torch.Generator().manual_seed(4)
    vectors = torch.randn(4, 6, generator=random)
    span = torch.randn(3, 6, generator=random) * torch.tensor([[1.0], [3.0], [0.5]])
    span[1] += 2 * span[0]
    inside = (torch.linalg.pinv(span) @ span).T
    unit = span / span.norm(dim=1, keepdim=True)
    one_by_one = vectors.clone()
    for direction in unit:
        one_by_one = one_by_one - (one_by_one @ direction)[:, None] * direction
    mean = span.mean(0) / span.mean(0).norm()
    got = without_span(vectors.clone(), span.clone())
    match(
        got,
        vectors - vectors @ inside,
        what="The vectors",
        mistakes={
            "That is the part *inside* the span: subtract it from the vectors.": vectors @ inside,
            "You subtracted the part along each direction as if they stood at right angles. They "
            "overlap: make an orthonormal basis first.": vectors - vectors @ unit.T @ unit,
            "Taking out one direction after the other puts back a part of the earlier ones, since "
            "they overlap.": one_by_one,
            "The directions have unlike lengths: a basis for projecting needs length 1.": vectors
            - vectors @ span.T @ span,
            "Only the mean direction was taken out: there are several.": vectors
            - (vectors @ mean)[:, None] * mean,
            "Only the first direction was taken out.": vectors
            - (vectors @ unit[0])[:, None] * unit[0],
        },
    )
    expect(
        math.isclose(float((got @ span.T).abs().max()), 0, abs_tol=1e-3),
        "What is left still has a part along one of the directions.",
    )
    return "Orthogonal to every one of them."
