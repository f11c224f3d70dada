"""Lesson 3.2: the library's version of each exercise, and plausible wrong answers."""

import math

import numpy as np
import torch

from utils.steering import steer
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


# ---- Stories ------------------------------------------------------------------------------------


def _stories(pool=lambda x, start: x[start:].mean(0), join=None, end=None, hook="hook_resid_pre"):
    """The course's function, one step of it done otherwise."""

    def story_vectors(model, stories, *, layer, start):
        name, means = f"blocks.{layer}.{hook}", []
        for texts in stories.values():
            pooled = []
            for text in texts:
                with torch.no_grad():
                    _, cache = model.run_with_cache(model.to_tokens(text), names_filter=name)
                pooled.append(pool(cache[name][0], start))
            means.append((join or (lambda each: torch.stack(each).mean(0)))(pooled))
        vectors = torch.stack(means)
        return (end or (lambda v: v - v.mean(0)))(vectors)

    return story_vectors


def _stories_grand(model, stories, *, layer, start):
    name, means, every = f"blocks.{layer}.hook_resid_pre", [], []
    for texts in stories.values():
        caches = [model.run_with_cache(model.to_tokens(t), names_filter=name)[1] for t in texts]
        pooled = [cache[name][0, start:].detach().mean(0) for cache in caches]
        means.append(torch.stack(pooled).mean(0))
        every += pooled
    return torch.stack(means) - torch.stack(every).mean(0)


def _stories_by_hooks(model, stories, *, layer, start):
    found = {word: [] for word in stories}
    for word, texts in stories.items():
        for text in texts:

            def keep(resid, hook, word=word):
                found[word].append(resid[0, start:].detach().double().mean(0))

            model.run_with_hooks(
                model.to_tokens(text), fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", keep)]
            )
    means = torch.stack([sum(each) / len(each) for each in found.values()]).float()
    return means - means.mean(0, keepdim=True)


def _stories_in_batches(model, stories, *, layer, start):
    """Padded on the right, with a mask."""
    name, means = f"blocks.{layer}.hook_resid_pre", []
    for texts in stories.values():
        tokens = model.to_tokens(list(texts))
        lengths = torch.tensor([model.to_tokens(text).shape[1] for text in texts])
        _, cache = model.run_with_cache(tokens, names_filter=[name])
        at = torch.arange(tokens.shape[1])
        mask = ((at >= start) & (at < lengths[:, None])).float()
        pooled = torch.einsum("bpd,bp->bd", cache[name], mask) / mask.sum(1, keepdim=True)
        means.append(pooled.mean(0))
    vectors = torch.stack(means)
    return vectors - vectors.mean(0)


def _stories_padded(model, stories, *, layer, start):
    name, means = f"blocks.{layer}.hook_resid_pre", []
    for texts in stories.values():
        _, cache = model.run_with_cache(model.to_tokens(list(texts)), names_filter=[name])
        means.append(cache[name][:, start:].mean(1).mean(0))
    vectors = torch.stack(means)
    return vectors - vectors.mean(0)


# ---- The dial -----------------------------------------------------------------------------------


def _dial(fit=lambda held: ~held, keep=lambda held: held, direction=None, end=lambda g: g):
    """The course's function, one step of it done otherwise."""

    def held_out_dial(gains, vectors, angles, folds, turns, *, size):
        gained = torch.zeros(len(turns), len(angles))
        for held in folds:
            axes = circle.circle_axes(vectors[fit(held)], angles[fit(held)])
            directions = direction(axes, turns) if direction else _points(turns) @ axes
            gained[:, keep(held)] = gains(size * directions)[:, keep(held)]
        return end(gained)

    return held_out_dial


def _dial_without_size(gains, vectors, angles, folds, turns, *, size):
    return circle.held_out_dial(gains, vectors, angles, folds, turns, size=1.0)


def _dial_turn_by_turn(gains, vectors, angles, folds, turns, *, size):
    columns = {}
    for held in folds:
        V, A = circle.circle_axes(vectors[~held], angles[~held])
        rows = []
        for turn in turns.tolist():
            t = math.radians(turn)
            rows.append(gains((size * (math.cos(t) * V + math.sin(t) * A))[None])[0])
        found = torch.stack(rows)
        columns |= {i: found[:, i] for i in held.nonzero()[:, 0].tolist()}
    return torch.stack([columns[i] for i in range(len(angles))], dim=1)


def _dial_by_sum(gains, vectors, angles, folds, turns, *, size):
    total = 0
    for held in folds:
        plane = circle.circle_axes(vectors[held.logical_not()], angles[held.logical_not()])
        total = total + gains(size * circle.towards(plane, turns)) * held
    return total


def _dial_by_where(gains, vectors, angles, folds, turns, *, size):
    out = torch.full((len(turns), len(angles)), torch.nan)
    for held in folds:
        rest = (~held).nonzero()[:, 0]
        axes = circle.circle_axes(vectors[rest], angles[rest])
        changes = torch.einsum("ta,ad->td", _points(turns), axes).mul(size)
        out = torch.where(held[None], gains(changes), out)
    return out


# ---- Read-back ----------------------------------------------------------------------------------


def _read(
    order="prompt new cue", still=False, off=False, positions=None, bos=False, end=None, shared=0
):
    """The course's function, one step of it done otherwise."""

    def read_back(model, write, prompts, changes, columns, *, layer, cue=" I felt"):
        where = slice(1, None) if positions is None else positions
        out = []
        for prompt in prompts:
            rows = model.to_tokens(prompt).repeat(len(changes), 1)
            added = 0 * changes if off else changes
            with torch.no_grad(), steer(model, added[:, None], layer=layer, positions=where):
                new = write(rows)
            tail = model.to_tokens(cue, prepend_bos=bos).repeat(len(changes), 1)
            parts = {"prompt": rows, "new": new, "cue": tail}
            whole = torch.cat([parts[name] for name in order.split()], dim=1)
            added = changes if still else 0 * changes
            with torch.no_grad(), steer(model, added[:, None], layer=layer, positions=where):
                logits = model(whole)[:, -1]
            out.append((end or (lambda x: x))(logits)[:, columns])
        read = torch.stack(out, dim=1)
        return read if shared is None else read - read.mean(shared, keepdim=True)

    return read_back


def _read_at_another_layer(model, write, prompts, changes, columns, *, layer, cue=" I felt"):
    return circle.read_back(model, write, prompts, changes, columns, layer=(layer + 1) % 3, cue=cue)


def _read_negated(model, write, prompts, changes, columns, *, layer, cue=" I felt"):
    return circle.read_back(model, write, prompts, -changes, columns, layer=layer, cue=cue)


def _read_exchanged(model, write, prompts, changes, columns, *, layer, cue=" I felt"):
    read = circle.read_back(model, write, prompts, changes, columns, layer=layer, cue=cue)
    return read.transpose(0, 1)


def _read_one_by_one(model, write, prompts, changes, columns, *, layer, cue=" I felt"):
    end, found = model.to_tokens(cue, prepend_bos=False), []
    for change in changes:
        row = []
        for prompt in prompts:
            tokens = model.to_tokens(prompt)
            with steer(model, change, layer=layer, positions=slice(1, None)):
                new = write(tokens)
            with torch.no_grad():
                row.append(model(torch.cat([tokens, new, end], dim=1))[0, -1, columns])
        found.append(torch.stack(row))
    middle = sum(found) / len(found)
    return torch.stack([each - middle for each in found])


def _read_by_hooks(model, write, prompts, changes, columns, *, layer, cue=" I felt"):
    def add(resid, hook):
        return torch.cat([resid[:, :1], resid[:, 1:] + changes[:, None]], dim=1)

    read = []
    for prompt in prompts:
        rows = torch.cat([model.to_tokens(prompt)] * len(changes))
        with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", add)]):
            new = write(rows)
        end = torch.cat([model.to_tokens(cue, prepend_bos=False)] * len(changes))
        logits = model(torch.hstack([rows, new, end]))
        each = torch.index_select(logits[:, -1], 1, columns)
        read.append(each.sub(each.mean(0, keepdim=True)))
    return torch.stack(read).permute(1, 0, 2)


# ---- Ring or disc -------------------------------------------------------------------------------


def _ring(white=None, score=lambda r: r.std(unbiased=False) / r.mean()):
    def ring_score(points):
        centred = points - points.mean(0)
        sides, _, _ = torch.linalg.svd(centred, full_matrices=False)
        chosen = white(points, centred) if white else sides * len(points) ** 0.5
        return score(chosen.norm(dim=-1))

    return ring_score


def _each(score):
    """A score of points [word, 2], for any axes in front, that refuses a line."""

    def ring_score(points):
        if points.shape[-2] < 4:
            raise ValueError("too few points")
        found = []
        for each in points.reshape(-1, *points.shape[-2:]):
            if torch.linalg.svdvals(each - each.mean(0))[1] < 1e-4:
                raise ValueError("points on a line")
            found.append(torch.as_tensor(score(each)).float())
        return torch.stack(found).reshape(points.shape[:-2])

    return ring_score


def _ring_over_all(points):
    centred = points - points.flatten(0, -2).mean(0)
    radius = torch.linalg.svd(centred, full_matrices=False)[0].norm(dim=-1)
    return radius.std(-1, unbiased=False) / radius.mean(-1)


def _ring_by_covariance(points):
    x = points.numpy().astype(float)
    x = x - x.mean(0)
    inverse = np.linalg.inv(np.cov(x.T))
    radius = np.sqrt(np.einsum("ni,ij,nj->n", x, inverse, x))
    return float(radius.std() / radius.mean())


def _ring_by_cholesky(points):
    x = (points - points.mean(0)).double()
    factor = torch.linalg.cholesky(x.T @ x)
    radius = torch.linalg.solve_triangular(factor, x.T, upper=False).norm(dim=0)
    return ((radius - radius.mean()).square().mean().sqrt() / radius.mean()).item()


MISTAKES = {
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
    "story_vectors": [
        (
            "words sorted",
            lambda model, stories, **k: _stories()(model, dict(sorted(stories.items())), **k),
            "rows are sorted",
        ),
        ("no grand mean", _stories(end=lambda v: v), "grand mean is still"),
        ("after the block", _stories(hook="hook_resid_post"), "*after* block"),
        ("from BOS on", _stories(pool=lambda x, start: x.mean(0)), "BOS as well"),
        ("all but BOS", _stories(pool=lambda x, start: x[1:].mean(0)), "All positions but BOS"),
        ("one later", _stories(pool=lambda x, start: x[start + 1 :].mean(0)), "one later"),
        (
            "all tokens alike",
            _stories(pool=lambda x, start: x[start:], join=lambda each: torch.cat(each).mean(0)),
            "Long stories count more",
        ),
        ("last token", _stories(pool=lambda x, start: x[-1]), "last token alone"),
        ("sum over stories", _stories(join=sum), "summed over"),
        (
            "own mean",
            _stories(end=lambda v: v - v.mean(1, keepdim=True)),
            "over its dimensions",
        ),
        ("sign", _stories(end=lambda v: v.mean(0) - v), "sign is wrong"),
        ("mean over stories", _stories_grand, "mean over all stories"),
        ("padding counts", _stories_padded, "The stories' vectors should be"),
    ],
    "held_out_dial": [
        ("fitted to all", _dial(fit=lambda held: held | True), "saw the words"),
        ("fitted to the held-out", _dial(fit=lambda held: held), "fitted to the held-out words"),
        ("kept the others", _dial(keep=lambda held: ~held), "words that made the axes"),
        ("the last fold's", _dial(keep=lambda held: held | True), "last fold"),
        ("no size", _dial_without_size, "`size` is missing"),
        (
            "exchanged",
            _dial(direction=lambda axes, turns: _points(turns) @ axes.flip(0)),
            "valence goes with the cosine",
        ),
        (
            "wrong way round",
            _dial(direction=lambda axes, turns: _points(-turns) @ axes),
            "wrong way round",
        ),
        (
            "degrees as radians",
            _dial(direction=lambda axes, turns: torch.stack([turns.cos(), turns.sin()], 1) @ axes),
            "want radians",
        ),
        (
            "sign",
            _dial(direction=lambda axes, turns: -_points(turns) @ axes),
            "sign of what is added",
        ),
        ("transposed", _dial(end=lambda g: g.T), "transpose"),
    ],
    "read_back": [
        ("still steered", _read(still=True), "Steering is still on"),
        ("not steered", _read(off=True), "written without steering"),
        ("steered while reading only", _read(off=True, still=True), "teer"),
        ("not centred", _read(shared=None), "still in the logits"),
        ("centred over prompts", _read(shared=1), "mean over prompts"),
        ("centred over words", _read(shared=2), "mean over words"),
        ("BOS as well", _read(positions=slice(0, None)), "BOS was steered"),
        ("no cue", _read("prompt new"), "cue is missing"),
        ("nothing written", _read("prompt cue"), "written"),
        ("no prompt", _read("new cue"), "prompt is missing"),
        ("second BOS", _read(bos=True), "second BOS"),
        ("another layer", _read_at_another_layer, "another layer"),
        ("sign", _read_negated, "wrong sign"),
        ("log-probabilities", _read(end=lambda x: x.log_softmax(-1)), "log-probabilities"),
        ("probabilities", _read(end=lambda x: x.softmax(-1)), "return logits"),
        ("exchanged", _read_exchanged, "exchanged"),
    ],
    "ring_score": [
        ("raw", _ring(white=lambda points, centred: points), "neither centred"),
        ("not whitened", _ring(white=lambda points, centred: centred), "not whitened"),
        (
            "scaled only",
            _ring(white=lambda points, centred: centred / centred.std(0)),
            "still correlated",
        ),
        ("spread alone", _ring(score=lambda r: r.std(unbiased=False)), "divide it by the mean"),
        ("upside down", _ring(score=lambda r: r.mean() / r.std(unbiased=False)), "other way"),
        (
            "squared radius",
            _ring(score=lambda r: (r**2).std(unbiased=False) / (r**2).mean()),
            "*squared*",
        ),
        ("n minus 1", _ring(score=lambda r: r.std() / r.mean()), "divides by n"),
        ("variance", _ring(score=lambda r: r.var(unbiased=False) / r.mean()), "standard deviation"),
        ("mean radius", _ring(score=lambda r: r.mean()), "mean radius"),
        ("one set of points alone", _ring(), "With more axes in front"),
        ("centred over all draws", _ring_over_all, "Each draw is centred by itself"),
    ],
    "sealed": [
        ("none right", ("stories", "token bias", "random"), "Not all three"),
        ("two exchanged", ("token bias", "stories", "random"), "Not all three"),
        ("two exchanged, others", ("random", "token bias", "stories"), "Not all three"),
        ("another name", ("token bias", "random", "words"), "none of"),
        ("twice", ("stories", "stories", "random"), "belongs to one dial"),
        ("two names", ("stories", "random"), "three names"),
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


RIGHT = {
    "measured_angle": [
        ("numpy, row by row", _angle_by_lstsq),
        ("normal equations", _angle_by_normal_equations),
        (
            "pseudo-inverse",
            lambda change, angles: (
                torch.rad2deg(
                    torch.atan2(
                        *(
                            change
                            @ torch.linalg.pinv(
                                torch.cat([torch.ones(len(angles), 1), _points(angles)], dim=1)
                            ).T
                        )[:, [2, 1]].T
                    )
                )
                % 360
            ),
        ),
    ],
    "story_vectors": [
        ("hooks", _stories_by_hooks),
        ("batches with a mask", _stories_in_batches),
        ("with a gradient tape", _stories()),
    ],
    "held_out_dial": [
        ("turn by turn", _dial_turn_by_turn),
        ("a sum of masks", _dial_by_sum),
        ("where", _dial_by_where),
    ],
    "read_back": [
        ("one by one", _read_one_by_one),
        ("hooks of its own", _read_by_hooks),
        ("steered by 0", _read()),
    ],
    "ring_score": [
        ("by the covariance", _each(_ring_by_covariance)),
        ("by Cholesky", _each(_ring_by_cholesky)),
        ("by the SVD", _each(_ring())),
    ],
    "sealed": [
        ("a list", ["token bias", "random", "stories"]),
        ("a dict", {"a": "token bias", "b": "random", "c": "stories"}),
        ("capitals", ("Token bias", "Random", "Stories")),
    ],
}
