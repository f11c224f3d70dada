"""Checks of lesson 3.2, the emotion circle."""

import torch

from utils.checks.engine import exercise, match


def _wave(angles: torch.Tensor, towards: float, size: float, offset: float) -> torch.Tensor:
    return offset + size * torch.deg2rad(angles - towards).cos()


def _circle(angles: torch.Tensor) -> torch.Tensor:
    radians = torch.deg2rad(angles)
    return torch.stack([radians.cos(), radians.sin()], dim=1)


@exercise("utils.writing.circle.angular_error", in_double=True)
def check_angular_error(angular_error) -> str:
    """Pairs on both sides of 0, and angles outside 0 to 360; then a table against one row."""
    a = torch.tensor([350.0, 10.0, 90.25, 270.0, -10.0, 725.5, 30.0])
    b = torch.tensor([10.0, 350.0, 100.0, 90.0, 340.0, 50.0, 30.0])
    right, plain = torch.tensor([20.0, 20, 9.75, 180, 10, 44.5, 0]), (a - b).abs()
    match(
        angular_error(a, b),
        right,
        what="The errors",
        mistakes={
            "That is the difference of the numbers: 350 and 10 are 20 degrees apart.": plain,
            "The difference is brought into 0 to 360, but the short way round may be the other "
            "one: 340 one way is 20 the other.": plain % 360,
            "You took the long way round.": torch.maximum(plain % 360, 360 - plain % 360),
            "An error has no sign: take the distance, from 0 to 180.": (a - b + 180) % 360 - 180,
            "An error has no sign: a difference below 0 counts as well, take the distance.": (
                ((a - b + 180) % 360 - 180).clamp(min=0)
            ),
            "Angles outside 0 to 360 go wrong: bring the difference into 0 to 360 "
            "first.": torch.minimum(plain, (360 - plain).abs()),
            "The result is in radians, and should be in degrees.": torch.deg2rad(right),
            "Opposite feelings are 180 apart, not 0: use `% 360`.": torch.minimum(
                plain % 180, 180 - plain % 180
            ),
            "That is one number for all pairs: each pair has its own error.": right.mean(),
        },
    )
    match(
        angular_error(torch.tensor([[0.0, 90, 270], [355, 100, -80]]), a[:1]),
        torch.tensor([[10.0, 100, 80], [5, 110, 70]]),
        what="For a table of angles against one angle, [1], the errors",
        mistakes={},
    )
    return "The short way round, for angles of any size."


@exercise("utils.writing.circle.measured_angle", in_double=True)
def check_measured_angle(measured_angle) -> str:
    """Planted waves, on words that crowd, with what all words share and what no wave explains.

    No wave is highest at 0, where rounding decides between 0 and a full turn.
    """
    angles = torch.tensor([10.0, 20.0, 25.0, 30.0, 120.0, 200.0, 290.0])
    wanted = torch.tensor([160.25, 40.5, 330.0, 75.0, 250.75])
    points, ones = _circle(angles), torch.ones(len(angles), 1)
    design = torch.cat([ones, points], dim=1)
    # Three words decide a wave: only the best fit to all of them leaves this noise out.
    noise = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    noise = noise - noise @ torch.linalg.pinv(design).T @ design.T
    waves = zip(wanted.tolist(), (1.0, 2.0, 0.5, 3.0, 1.0), (4.0, -1.0, 0.5, 0, 8), strict=True)
    change = torch.stack([_wave(angles, t, size, offset) for t, size, offset in waves])
    change = change + 0.3 * noise
    centred = change - change.mean(1, keepdim=True)

    def solved(design: torch.Tensor, change: torch.Tensor = change) -> torch.Tensor:
        return change @ torch.linalg.pinv(design).T

    def to_degrees(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.rad2deg(torch.atan2(y, x)) % 360

    def fitted(change: torch.Tensor) -> torch.Tensor:
        _, b, c = solved(design, change).T
        return to_degrees(c, b)

    abc = solved(design)
    without, weighted, centred_mean = solved(points), change @ points, centred @ points
    unturned = solved(torch.cat([ones, torch.stack([angles.cos(), angles.sin()], 1)], 1))
    highest = angles[change.argmax(1)]
    raw = torch.rad2deg(torch.atan2(abc[:, 2], abc[:, 1]))
    match(
        measured_angle(change, angles),
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
            "These are radians, from -pi to pi; the answer is in degrees, from 0 to "
            "360.": torch.deg2rad(raw),
            "`atan` cannot tell a direction from its opposite: use `atan2`.": torch.rad2deg(
                torch.atan(abc[:, 2] / abc[:, 1])
            )
            % 360,
            "You brought the angles into 0 to 360 by their size: -30 degrees is 330, not "
            "30.": raw.abs(),
            "The mirror image: the sine's sign is turned.": -wanted % 360,
            "That is where the wave is lowest.": (wanted + 180) % 360,
            "The signs of the changes are lost: a word may also become less likely.": fitted(
                change.abs()
            ),
            "Changes below 0 are left out: a word that becomes less likely counts too.": fitted(
                change.clamp(min=0)
            ),
            "That is one angle for all rows: each way of steering has its own.": fitted(
                change.mean(0, keepdim=True)
            )[0],
            "Each row got the first one's angle: fit a wave to each.": wanted[:1].expand(5),
        },
    )
    match(
        measured_angle(change[3:4], angles),
        wanted[3:4],
        what="For one way of steering the angle, [1],",
        mistakes={"The axis is lost when there is one way of steering.": wanted[3]},
    )
    return "The wave's top, whatever all words gain and wherever they crowd."


@exercise("utils.writing.circle.emotion_vectors", in_double=True)
def check_emotion_vectors(emotion_vectors) -> str:
    """Three words with four sentences each in five dimensions, then four words with three."""
    random = torch.Generator().manual_seed(0)
    offset = torch.tensor([3.0, -3, 2, -1, 0])
    for n_words, n_sentences in [(3, 4), (4, 3), (5, 1)]:
        n = n_words * n_sentences
        resid = torch.randn(n, 5, generator=random) + offset
        means = resid.view(n_words, n_sentences, 5).mean(1)
        right = means - means.mean(0)
        interleaved = resid.view(n_sentences, n_words, 5).mean(0)
        match(
            emotion_vectors(resid, n_words),
            right,
            what=f"The vectors ({n_words} words with {n_sentences} sentence each)".replace(
                "sentence", "sentences" if n_sentences > 1 else "sentence"
            ),
            mistakes={
                "The grand mean is still in them: subtract the mean over all words.": means,
                "The sentences of a word are *neighbours*: the first rows are all of the first "
                "word.": interleaved - interleaved.mean(0),
                "The sentences were not averaged: one vector for each word.": resid - resid.mean(0),
                "You subtracted each vector's own mean over its dimensions. Subtract one vector, "
                "the mean over the words.": means - means.mean(1, keepdim=True),
                "You subtracted one number, the mean over all words and dimensions. Subtract one "
                "vector, the mean over the words.": means - means.mean(),
                "You subtracted the first word's vector: subtract the mean over all words.": means
                - means[0],
                "Each word was set against the mean of the *other* words: subtract the mean over "
                "all words.": right * n_words / (n_words - 1),
                "The sign is wrong: the word's mean minus the mean of all.": -right,
                "The signs are lost: a vector points somewhere.": right.abs(),
                "You summed over the sentences: take their mean.": n_sentences * right,
                "The first sentence of each word is taken for all: average over its "
                "sentences.": resid[::n_sentences] - resid[::n_sentences].mean(0),
                "The vectors were brought to length 1: leave their lengths.": (
                    torch.nn.functional.normalize(right, dim=1)
                ),
                "The vectors were divided by their spread over words: leave their lengths.": right
                / right.std(0),
            },
        )
    return "What sets each word apart from the others."


@exercise("utils.writing.circle.circularity")
def check_circularity(circularity) -> str:
    """Angles that were turned, mirrored, and dealt out, so that once each way agrees better."""
    angles = torch.tensor([5.0, 40.0, 80.0, 130.0, 200.0, 310.0])

    def length(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.deg2rad(x).cos().mean(), torch.deg2rad(x).sin().mean()]).norm()

    def in_degrees(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.cos().mean(), x.sin().mean()]).norm()

    one = torch.tensor(1.0)
    turned, mirrored = (angles + 100) % 360, (50 - angles) % 360
    match(
        circularity(turned, angles),
        one,
        what="For a circle that was turned by 100 degrees the circularity",
        mistakes={
            "A rotation is allowed, and should give 1: take the *length* of the mean point, not "
            "its cosine.": torch.deg2rad(turned - angles).cos().mean(),
            "That is what the sums alone give, for a reflection: look at `found - angles` as "
            "well, and take the larger of the two.": length(turned + angles),
            "The larger of the two counts, not their sum.": 1 + length(turned + angles),
            "The larger of the two counts, not their mean.": (1 + length(turned + angles)) / 2,
            "`cos` and `sin` want radians: `torch.deg2rad`.": torch.maximum(
                in_degrees(turned - angles), in_degrees(turned + angles)
            ),
            "That is the length of a *sum* of points: divide by how many there are.": 6 * one,
        },
    )
    match(
        circularity(mirrored, angles),
        one,
        what="For a circle that was mirrored the circularity",
        mistakes={
            "A mirrored circle is allowed too, and should give 1: look at `found + angles` as "
            "well.": length(mirrored - angles),
        },
    )
    dealt = torch.tensor([200.0, 10.0, 300.0, 80.0, 40.0, 150.0])
    for found in (dealt, -dealt, dealt[:4]):  # mirrored, sums and differences change places
        angles = angles[: len(found)]
        lengths = torch.stack([length(found - angles), length(found + angles)])
        match(
            circularity(found, angles),
            lengths.max(),
            what=f"For {len(found)} angles that hardly agree the circularity",
            mistakes={
                "Only a perfect circle has 1: average the points first, then take the length, and "
                "do not round it.": one,
                "The larger of the two counts, not their sum.": lengths.sum(),
                "The larger of the two counts, not the smaller.": lengths.min(),
                "The length is the root of the sum of squares: that root is missing.": lengths.max()
                ** 2,
            },
        )
    return "1 for a turned or mirrored circle, and less for anything else."


@exercise("utils.writing.circle.circle_axes", in_double=True)
def check_circle_axes(circle_axes) -> str:
    """Words on a planted, skewed ellipse in seven dimensions, off the origin."""
    angles = torch.tensor([10.0, 60.0, 100.0, 170.0, 220.0, 300.0, 320.0, 330.0, 345.0])
    random = torch.Generator().manual_seed(2)
    plane = torch.randn(2, 7, generator=random)
    plane[1] += 1.5 * plane[0]  # the two slopes overlap, so that every step shows
    x = _circle(angles) @ plane + 0.3 * torch.randn(9, 7, generator=random)
    x = x + torch.tensor([2.0, -1, 0, 3, 0, 1, 0])
    ridge = 0.3

    def fitted(x, y, ridge, *, centre_x=True, centre_size=True):
        penalty = ridge * (x - x.mean(0) if centre_x and centre_size else x).square().sum(1).mean()
        x = x - x.mean(0) if centre_x else x
        y = y - y.mean(0)
        return (x.T @ torch.linalg.solve(x @ x.T + penalty * torch.eye(len(x)), y)).T

    def made(slopes, first=0):
        v = slopes[first] / slopes[first].norm()
        a = slopes[1 - first] - (slopes[1 - first] @ v) * v
        pair = [v, a / a.norm()]
        return torch.stack(pair if first == 0 else pair[::-1])

    slopes = fitted(x, _circle(angles), ridge)
    unit = slopes / slopes.norm(dim=1, keepdim=True)
    right = made(slopes)
    swapped = right.flip(0)
    half_done = torch.stack([unit[0], slopes[1] - (slopes[1] @ unit[0]) * unit[0]])
    too_early = torch.stack([unit[0], unit[1] - (unit[1] @ unit[0]) * unit[0]])
    degrees = torch.stack([angles.cos(), angles.sin()], dim=1)
    sizes = x - x.mean(0)
    absolute = ridge / sizes.square().sum(1).mean()
    signs = {
        "Both axes point": -right,
        "Valence points": right * torch.tensor([[-1.0], [1.0]]),
        "Arousal points": right * torch.tensor([[1.0], [-1.0]]),
    }
    wrong_way = {
        f"{which} the wrong way: keep the slopes' own directions. (QR, for one, leaves signs "
        "open.)": value
        for which, value in signs.items()
    }
    match(
        circle_axes(x, angles, ridge=ridge),
        right,
        what="The axes, valence and arousal as rows,",
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
            **wrong_way,
            "The axes are columns: valence and arousal should be the rows.": right.T,
            "Valence comes first, arousal second.": swapped,
            "Valence comes first, arousal second, and valence is kept as it is.": made(
                slopes, 1
            ).flip(0),
            "The angles are in degrees, and `cos` and `sin` want radians.": made(
                fitted(x, degrees, ridge)
            ),
            "The vectors were not centred: subtract their mean over the words.": made(
                fitted(x, _circle(angles), ridge, centre_x=False)
            ),
            "The penalty is in units of the *centred* vectors' length: centre them before you "
            "measure it.": made(fitted(x, _circle(angles), ridge, centre_size=False)),
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
        circle_axes(-x, angles, ridge=ridge),
        -right,
        what="When all vectors are turned round, the axes",
        mistakes={
            "An axis points the wrong way (QR, for one, leaves signs open). Keep the slopes' own "
            "directions: when all vectors are turned round, the axes must turn round too.": right,
        },
    )
    match(
        circle_axes(x, angles),
        made(fitted(x, _circle(angles), 0.1)),
        what="The axes with the default ridge, 0.1,",
        mistakes={},
    )
    match(
        circle_axes(x[:5, :3], angles[:5], ridge=ridge),
        made(fitted(x[:5, :3], _circle(angles[:5]), ridge)),
        what="The axes of 5 words in 3 dimensions",
        mistakes={},
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
    match(
        without_span(vectors, span),
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
            "What is left was brought to length 1: subtract, and leave its length.": (
                torch.nn.functional.normalize(vectors - vectors @ inside, dim=1)
            ),
            "The part inside was added: subtract it.": vectors + vectors @ inside,
        },
    )
    alone = vectors[:1] - (vectors[:1] @ unit[0])[:, None] * unit[0]
    match(
        without_span(vectors[:1], span[:1]),
        alone,
        what="One vector, [1, d_model], without one direction",
        mistakes={"The axis is lost when there is one vector.": alone[0]},
    )
    return "Orthogonal to every one of them."
