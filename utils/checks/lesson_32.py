"""Checks of lesson 3.2, the emotion circle."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import drawn_from

ORDER = ("token bias", "random", "stories")  # what the sealed dials a, b and c are


def sealed_order() -> tuple[str, str, str]:
    """What each sealed dial of the investigation is. Printing it would spoil it."""
    return ORDER


def _wave(angles: torch.Tensor, towards: float, size: float, offset: float) -> torch.Tensor:
    return offset + size * torch.deg2rad(angles - towards).cos()


def _circle(angles: torch.Tensor) -> torch.Tensor:
    radians = torch.deg2rad(angles)
    return torch.stack([radians.cos(), radians.sin()], dim=1)


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


# ---- Stories ------------------------------------------------------------------------------------


def _tiny(seed: int) -> TransformerBridge:
    """A small model with random weights that reads letters: BOS is 0, "a" is 1, "b" is 2."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3,
            "n_heads": 2,
            "d_head": 4,
            "d_model": 8,
            "d_mlp": 12,
            "d_vocab": 9,
            "n_ctx": 24,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=random)
            weight.copy_(0.6 * drawn if weight.ndim == 2 else 1 + 0.3 * drawn)

    def to_tokens(text, prepend_bos=True, **_) -> Tensor:
        texts = [text] if isinstance(text, str) else list(text)
        rows = [[0] * bool(prepend_bos) + [ord(c) - 96 for c in each] for each in texts]
        width = max(map(len, rows))
        return torch.tensor([row + [0] * (width - len(row)) for row in rows])

    model.to_tokens = to_tokens
    return model.eval()


@torch.no_grad()
def _stream(model, text: str, name: str) -> Tensor:
    _, cache = model.run_with_cache(model.to_tokens(text), names_filter=[name])
    return cache[name][0]


def _story_vectors(story_vectors, seed: int, stories: dict, layer: int, start: int) -> None:
    model = _tiny(seed)

    def pooled(at: str, first: int, *, centre: bool = True, whole: bool = False) -> Tensor:
        found = []
        for texts in stories.values():
            streams = [_stream(model, text, at)[first:] for text in texts]
            if whole:
                found.append(torch.cat(streams).mean(0))
            else:
                found.append(torch.stack([each.mean(0) for each in streams]).mean(0))
        means = torch.stack(found)
        return means - means.mean(0) if centre else means

    here, after = f"blocks.{layer}.hook_resid_pre", f"blocks.{layer}.hook_resid_post"
    right = pooled(here, start)
    rows = [
        _stream(model, text, here)[start:].mean(0) for each in stories.values() for text in each
    ]
    last = torch.stack(
        [
            torch.stack([_stream(model, text, here)[-1] for text in texts]).mean(0)
            for texts in stories.values()
        ]
    )
    means = pooled(here, start, centre=False)
    counts = torch.tensor([len(texts) for texts in stories.values()])
    sums = means * counts[:, None]
    mistakes = {
        "The grand mean is still in them: subtract the mean over words.": means,
        "The stream is read *after* block `layer`: before it is "
        "`blocks.{layer}.hook_resid_pre`.": pooled(after, start),
        "All positions count, BOS as well: begin at `start`.": pooled(here, 0),
        "All positions but BOS count: begin at `start`.": pooled(here, 1),
        "The first position that counts is `start`, with BOS at 0: you began one later.": pooled(
            here, start + 1
        ),
        "The first position that counts is `start`, with BOS at 0: you began one earlier.": pooled(
            here, start - 1
        ),
        "Long stories count more: average over the tokens of each story first, then over "
        "stories.": pooled(here, start, whole=True),
        "That is the last token alone: average over all from `start` on.": last - last.mean(0),
        "The stories were not averaged: one vector for each word.": torch.stack(rows)
        - torch.stack(rows).mean(0),
        "You summed over a word's stories: take their mean.": sums - sums.mean(0),
        "You subtracted the mean over all stories. A word with more stories then counts more: "
        "take the mean over words.": means - torch.stack(rows).mean(0),
        "The mean that is subtracted is each vector's own, over its dimensions. Subtract one "
        "vector, the mean over words.": means - means.mean(1, keepdim=True),
        "The sign is wrong: a word's mean minus the mean of all.": -right,
        "The rows are sorted: keep the order of the words in `stories`.": right[
            sorted(range(len(stories)), key=list(stories).__getitem__)
        ],
    }
    mistakes = {
        why: value
        for why, value in mistakes.items()
        if value.shape != right.shape or not torch.allclose(value, right, atol=1e-3)
    }
    got = story_vectors(model, stories, layer=layer, start=start)
    if isinstance(got, Tensor) and got.shape == right.shape and got.requires_grad:
        got = got.detach()
    match(got, right, what="The stories' vectors", mistakes=mistakes)


@exercise("utils.writing.circle.story_vectors", keeps_gradient=False)
def check_story_vectors(story_vectors) -> str:
    """A small model, stories of unlike lengths; the number of words is not that of stories."""
    stories = {
        "y": ["abcdefgh", "hgfedcbaab"],
        "x": ["aabbccddee", "bd" * 3, "hgahfa", "eeffgh"],
        "z": ["fghab", "cacbh"],
    }
    _story_vectors(story_vectors, 1, stories, 2, 3)
    stories = {"x": ["abcdefg", "dddcb", "hgfeabc"], "y": ["bbbaaa", "abababab"]}
    _story_vectors(story_vectors, 2, stories, 1, 2)
    return (
        "Each story its mean over tokens, each word its mean over stories, without the grand mean."
    )


# ---- The dial -----------------------------------------------------------------------------------


def _axes(vectors: Tensor, angles: Tensor) -> Tensor:
    """Ridge regression of the places on the circle on the vectors, made orthonormal."""
    x, y = vectors - vectors.mean(0), _circle(angles)
    y = y - y.mean(0)
    penalty = 0.1 * x.square().sum(1).mean()
    slopes = (x.T @ torch.linalg.solve(x @ x.T + penalty * torch.eye(len(x)), y)).T
    valence = slopes[0] / slopes[0].norm()
    arousal = slopes[1] - (slopes[1] @ valence) * valence
    return torch.stack([valence, arousal / arousal.norm()])


def _held_out_dial(held_out_dial, seed: int, n: int, n_folds: int, turns: Tensor) -> None:
    random = torch.Generator().manual_seed(seed)
    angles = 360 * torch.rand(n, generator=random)
    vectors = _circle(angles) @ torch.randn(2, 9, generator=random)
    vectors = vectors + 0.6 * torch.randn(n, 9, generator=random) + 1
    fold = torch.arange(n) % n_folds
    fold = fold[torch.randperm(n, generator=random)]
    folds = [fold == i for i in range(n_folds)]
    reader, size = torch.randn(9, n, generator=random), 2.5

    def gains(changes: Tensor) -> Tensor:
        return (0.4 * changes @ reader).tanh() + 0.1 * (changes @ reader)

    def dial(*, fit=lambda held: ~held, keep=lambda held: held, at=turns, size=size, swap=False):
        radians, out = torch.deg2rad(at), torch.zeros(len(at), n)
        for held in folds:
            axes = _axes(vectors[fit(held)], angles[fit(held)])
            axes = axes.flip(0) if swap else axes
            directions = torch.stack([radians.cos(), radians.sin()], 1) @ axes
            out[:, keep(held)] = gains(size * directions)[:, keep(held)]
        return out

    def without_degrees() -> Tensor:
        out = torch.zeros(len(turns), n)
        for held in folds:
            axes = _axes(vectors[~held], angles[~held])
            directions = torch.stack([turns.cos(), turns.sin()], 1) @ axes
            out[:, held] = gains(size * directions)[:, held]
        return out

    everything = torch.ones(n, dtype=torch.bool)
    right = dial()
    mistakes = {
        "The axes saw the words that they are tested on: fit them on the words that are *not* held "
        "out.": dial(fit=lambda held: everything),
        "The axes were fitted to the held-out words: fit them to the others.": dial(
            fit=lambda held: held
        ),
        "You kept the gains of the words that made the axes: keep those of the words held "
        "out.": dial(keep=lambda held: ~held),
        "All words' gains are those of the last fold: each fold fills in the words that it holds "
        "out.": dial(keep=lambda held: everything),
        "`size` is missing: it is the length of what is added.": dial(size=1.0),
        "Sine and cosine are exchanged: valence goes with the cosine.": dial(swap=True),
        "The dial turns the wrong way round: V cos t + A sin t.": dial(at=-turns),
        "`turns` are degrees, and `cos` and `sin` want radians: `torch.deg2rad`.": (
            without_degrees()
        ),
        "The sign of what is added is wrong.": dial(size=-size),
        "That is the transpose: turns are the rows.": right.T,
        "That is one turn for all: each has its own direction.": right[:1].expand_as(right),
    }
    got = held_out_dial(gains, vectors, angles, folds, turns, size=size)
    match(got, right, what="The held-out words' gains", mistakes=mistakes)


@exercise("utils.writing.circle.held_out_dial", in_double=True)
def check_held_out_dial(held_out_dial) -> str:
    """Words on a noisy circle, folds of unlike sizes, and a model that is not quite linear."""
    _held_out_dial(held_out_dial, 1, 11, 3, torch.tensor([0.0, 40.0, 130.0, 250.0]))
    _held_out_dial(held_out_dial, 2, 9, 4, torch.tensor([20.0, 200.0, 300.0]))
    return "Each word is scored by axes that never saw it."


# ---- Read-back ----------------------------------------------------------------------------------


def _writer(model) -> Callable:
    """The model's own likeliest tokens."""

    @torch.no_grad()
    def write(rows: Tensor, n_new: int = 8) -> Tensor:
        whole = rows
        for _ in range(n_new):
            whole = torch.cat([whole, model(whole)[:, -1:].argmax(-1)], 1)
        return whole[:, rows.shape[1] :]

    return write


@functools.cache
def _read_back_case(
    seed: int, _start: int, prompts: tuple[str, ...], n: int, layer: int, cue: str
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """Changes, columns, what is right and what mistakes give; made once, for it takes seconds."""
    model, random = _tiny(seed), torch.Generator().manual_seed(seed)
    columns = torch.tensor([5, 2, 7, 1])[: 2 + n % 3]
    write = _writer(model)

    @torch.no_grad()
    def unlike() -> bool:
        """Each change, and none, and other hooks' positions, write texts of their own."""

        def hook(resid, hook):
            out = resid.clone()
            out[:n] += changes[:, None]
            out[n:, 1:] += changes[:, None]
            return out

        for prompt in prompts:
            rows = model.to_tokens(prompt).repeat(2 * n, 1)
            with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", hook)]):
                written = [tuple(row) for row in write(rows).tolist()]
            if len(set(written[n:])) < n or written[:n] == written[n:]:
                return False
        return True

    for scale in torch.linspace(1, 3, 60).tolist():  # a change that changes no text tells nothing
        changes = scale * torch.randn(n, 8, generator=random)
        if unlike():
            break

    def hooks(first: int, at: int, sign: int) -> list:
        def hook(resid, hook):
            out = resid.clone()
            out[:, first:] += sign * changes[:, None]
            return out

        return [(f"blocks.{at}.hook_resid_pre", hook)]

    @functools.cache
    def written(prompt: str, steered: bool, *where: int) -> Tensor:
        with model.hooks(fwd_hooks=hooks(*where) if steered else []):
            return write(model.to_tokens(prompt).repeat(n, 1))

    @torch.no_grad()
    def run(
        *,
        steered=True,
        reading=False,
        first=1,
        at=layer,
        sign=1,
        with_cue=True,
        with_new=True,
        bos=False,
        prompt_first=True,
        keep=None,
        shared=0,
    ) -> Tensor:
        out = []
        for prompt in prompts:
            rows = model.to_tokens(prompt).repeat(n, 1)
            new = written(prompt, steered, first, at, sign)
            end = model.to_tokens(cue, prepend_bos=bos).repeat(n, 1)
            parts = [rows] * prompt_first + [new] * with_new + [end] * with_cue
            with model.hooks(fwd_hooks=hooks(first, at, sign) if reading else []):
                logits = model(torch.cat(parts, 1))[:, -1]
            out.append(logits[:, columns] if keep is None else keep(logits)[:, columns])
        read = torch.stack(out, 1)
        return read if shared is None else read - read.mean(shared, keepdim=True)

    right = run()
    mistakes = {
        "Steering is still on while you read: leave the `with` block first.": run(reading=True),
        "The texts were written without steering.": run(steered=False),
        "Nothing is steered while the model writes, but while it reads: it is the other way "
        "round.": run(steered=False, reading=True),
        "BOS was steered as well: `positions=slice(1, None)`.": run(first=0),
        "The cue is missing: append its tokens before you read.": run(with_cue=False),
        "What was written is missing: prompt, new tokens, cue.": run(with_new=False),
        "The prompt is missing: read it with what was written and the cue.": run(
            prompt_first=False
        ),
        "A second BOS stands before the cue: `prepend_bos=False`.": run(bos=True),
        "The change is at another layer than `layer`.": run(at=(layer + 1) % 3),
        "The change has the wrong sign.": run(sign=-1),
        "The mean over changes is still in the logits: subtract it, prompt by prompt.": run(
            shared=None
        ),
        "You subtracted the mean over prompts: take the mean over changes.": run(shared=1),
        "You subtracted the mean over words: take the mean over changes.": run(shared=2),
        "Those are probabilities: return logits.": run(keep=lambda x: x.softmax(-1)),
        "Those are log-probabilities: return logits.": run(keep=lambda x: x.log_softmax(-1)),
    }
    mistakes = {
        why: value
        for why, value in mistakes.items()
        if value.shape != right.shape or not torch.allclose(value, right, atol=1e-3)
    }
    if len(prompts) != n:
        mistakes["Prompts and changes are exchanged: [change, prompt, word]."] = right.transpose(
            0, 1
        )
    return changes, columns, right, mistakes


def _read_back(read_back, seed: int, prompts: list, n: int, layer: int, cue: str) -> None:
    case = _read_back_case(seed, drawn_from(seed), tuple(prompts), n, layer, cue)
    changes, columns, right, mistakes = case
    model = _tiny(seed)
    model(model.to_tokens(cue))  # sets its own hooks at the first run
    got = read_back(
        model, _writer(model), prompts, changes.clone(), columns.clone(), layer=layer, cue=cue
    )
    if isinstance(got, Tensor):
        got = got.detach()
    match(got, right, what="The logits after text and cue", mistakes=mistakes)
    again = model.to_tokens(prompts[0])
    before = _tiny(seed)
    with torch.no_grad():
        expect(
            torch.allclose(model(again), before(again), atol=1e-5),
            "A hook is left on the model: use `with steer(...)`.",
        )


@exercise("utils.writing.circle.read_back", keeps_gradient=False)
def check_read_back(read_back) -> str:
    """A small model that writes its likeliest token, at two layers."""
    _read_back(read_back, 3, ["ab", "cdefg"], 4, 1, "hc")
    _read_back(read_back, 5, ["bca", "hh", "acegb", "gd"], 3, 2, "da")
    return "Written under steering, read without."


# ---- The sealed dials ---------------------------------------------------------------------------


@investigation("sealed", course=ORDER)
def check_sealed(answer) -> str:
    """What dials a, b and c are."""
    if isinstance(answer, dict):
        answer = [answer.get(name) for name in "abc"]
    answer = tuple(answer)
    expect(len(answer) == 3, f"Give three names, for the dials a, b and c, not {len(answer)}.")
    names = tuple(str(each).strip().lower() for each in answer)
    for name in names:
        expect(name in ORDER, f"{name!r} is none of {', '.join(sorted(ORDER))}.")
    expect(len(set(names)) == 3, "Each name belongs to one dial.")
    expect(
        names == ORDER,
        "Not all three are right. Which dial's words do not turn where it points? Of the others, "
        "which one's texts name feelings again and again?",
    )
    return "Those are the three dials."


# ---- Ring or disc -------------------------------------------------------------------------------


def _score(points: Tensor) -> Tensor:
    centred = points - points.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(points))
    radius = (centred @ vectors / values.sqrt()).norm(dim=1)
    return radius.std(unbiased=False) / radius.mean()


def _score_of_all(clouds: Tensor) -> Tensor:
    centred = clouds - clouds.mean((0, 1, 2))
    radius = torch.linalg.svd(centred, full_matrices=False)[0].norm(dim=-1)
    return radius.std(-1, unbiased=False) / radius.mean(-1)


@exercise("utils.writing.circle.ring_score", in_double=True)
def check_ring_score(ring_score) -> str:
    """A stretched, turned and shifted ring, and clouds; several at once."""
    around = _circle(torch.arange(0, 360, 24.0))
    turn = _circle(torch.tensor([35.0]))[0]
    mixed = torch.stack([turn, torch.stack([-turn[1], turn[0]])])
    ring = around * torch.tensor([3.0, 0.5]) @ mixed + torch.tensor([4.0, -1.0])
    random = torch.Generator().manual_seed(3)

    def spread(points: Tensor) -> Tensor:
        radius = points.norm(dim=1)
        return radius.std(unbiased=False) / radius.mean()

    for name, points in {
        "a cloud": torch.randn(12, 2, generator=random) * torch.tensor([4.0, 1.0]) + 2,
        "another cloud": torch.randn(9, 2, generator=random) @ torch.tensor([[1.0, 2], [0, 0.5]]),
        "a stretched, shifted ring": ring,
    }.items():
        centred = points - points.mean(0)
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(points))
        white = centred @ vectors / values.sqrt()
        radius, right = white.norm(dim=1), _score(points)
        match(
            ring_score(points),
            right,
            what=f"The score of {name}",
            mistakes={
                "The points were neither centred nor whitened.": spread(points),
                "The points were centred, but not whitened: an ellipse should score as a "
                "circle.": spread(centred),
                "Each coordinate has variance 1, but the two are still correlated: whiten with the "
                "SVD.": spread(centred / centred.std(0, unbiased=False)),
                "The points were whitened, but not centred.": spread(
                    points @ vectors / values.sqrt()
                ),
                "Divide by the mean radius.": radius.std(unbiased=False) * len(points) ** -0.5,
                "That is the spread of the radius: divide it by the mean radius.": radius.std(
                    unbiased=False
                ),
                "That is the variance of the radius over its mean: take the standard "
                "deviation.": radius.var(unbiased=False) / radius.mean(),
                "That is the mean over the spread: it is the other way round.": 1 / right,
                "That is the spread of the *squared* radius.": radius.square().std(unbiased=False)
                / radius.square().mean(),
                "The standard deviation divides by n here: `unbiased=False`.": radius.std()
                / radius.mean(),
                "That is the mean radius.": radius.mean(),
                "You rotated the points, and did not scale them.": spread(centred @ vectors),
                "You divided by the variances: divide by the standard deviations.": spread(
                    centred @ vectors / values
                ),
            },
        )
    clouds = torch.randn(2, 3, 8, 2, generator=random)
    wanted = torch.stack([_score(each) for each in clouds.flatten(0, 1)]).view(2, 3)
    match(
        ring_score(clouds),
        wanted,
        what="With more axes in front, [2, 3, 8, 2], the scores, [2, 3],",
        mistakes={
            "That is one score for all draws: each has its own.": wanted[0, 0],
            "Each draw is centred by itself: take the mean over axis -2.": _score_of_all(clouds),
        },
    )
    return "0 for any ellipse, more for a disc or a cloud."
