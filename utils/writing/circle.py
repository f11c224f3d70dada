"""The circle of emotions: axes of valence and arousal, steering along them, and where it leads.

The words' vectors come from sentences that name the feeling (`emotion_vectors`), or from stories
that do not (`story_vectors`).

Angles are in degrees on the circle of Russell, 1980 ("A circumplex model of affect", Journal of
Personality and Social Psychology 39): 0 is pleasure, 90 arousal, 180 displeasure, 270 sleepiness.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.emotions.task import EmotionWords
from utils import stats
from utils.activations import tokens_of
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    guarded,
    index_of,
    layer_of,
    number,
    several,
    shaped_as,
)
from utils.reading import linear
from utils.stats import Interval
from utils.steering import steer


def _pair(value: Tensor, _: Mapping) -> str | None:
    """Two directions, rows."""
    right = value.ndim == 2 and len(value) == 2
    return None if right else f"has shape {tuple(value.shape)}: give [2, d_model]"


def _share_of_rows(value: int, given: Mapping) -> str | None:
    n = len(given["resid"])
    return f"is {value}, and does not divide the {n} rows of `resid`" if n % value else None


# ---- Axes ---------------------------------------------------------------------------------------


@guarded(resid=(axes(2), filled, finite), n_words=(count(), _share_of_rows))
def emotion_vectors(
    resid: Float[Tensor, "word_sentence d_model"], n_words: int
) -> Float[Tensor, "word d_model"]:
    """The mean over each word's sentences, minus the mean over all sentences.

    Args:
        resid: n_words times n_sentences rows. The sentences of a word stand together, as many for
            each word.
    """
    by_word = resid.unflatten(0, (n_words, -1)).mean(1)
    return by_word - by_word.mean(0)


def _stories(value: Mapping, _: Mapping) -> str | None:
    odd = next((word for word, texts in value.items() if not texts or isinstance(texts, str)), None)
    return None if odd is None else f"has no list of stories for {odd!r}"


@guarded(model=evaluating, stories=(filled, _stories), layer=layer_of(), start=count())
@torch.no_grad()
def story_vectors(
    model, stories: Mapping[str, Sequence[str]], *, layer: int, start: int
) -> Float[Tensor, "word d_model"]:
    """The mean residual stream over each word's stories, minus the mean of these over words.

    A story counts as its mean over tokens, however long it is. Layer L is the stream before block
    L. Stories are read one by one, without padding, and BOS stands in front of each.

    Source: the emotion vectors of Sofroniew et al., 2026 (arXiv 2604.07729), without their last
    step, which takes out directions of neutral text.

    Args:
        stories: word -> its stories.
        start: the first position that counts; BOS is position 0.
    """
    name, means = f"blocks.{layer}.hook_resid_pre", []
    for texts in stories.values():
        pooled = []
        for text in texts:
            tokens = model.to_tokens(text)
            _, cache = model.run_with_cache(tokens, names_filter=name)
            pooled.append(cache[name][0, start:].mean(0))
        means.append(torch.stack(pooled).mean(0))
    vectors = torch.stack(means)
    return vectors - vectors.mean(0)


@guarded(angles=finite)
def on_circle(angles: Float[Tensor, "*n"]) -> Float[Tensor, "*n xy=2"]:
    """Cosine (valence) and sine (arousal) of angles in degrees."""
    radians = torch.deg2rad(angles)
    return torch.stack([radians.cos(), radians.sin()], dim=-1)


@guarded(
    vectors=(axes(2), filled, finite),
    angles=(axes(1), as_long_as("vectors"), finite),
    ridge=number(low=0),
)
def circle_axes(
    vectors: Float[Tensor, "word d_model"], angles: Float[Tensor, " word"], *, ridge: float = 0.1
) -> Float[Tensor, "axis=2 d_model"]:
    """Directions of valence and of arousal: ridge regression of the words' places on the circle.

    Both are of length 1, and arousal is orthogonal to valence: what the two share has been taken
    out of it.

    Args:
        ridge: the penalty, in units of the mean squared length of the centred vectors.

    Raises:
        ValueError: the words are too few, or too much alike, to tell two directions.
    """
    size = (vectors - vectors.mean(0)).square().sum(1).mean().item()
    slopes = linear.ridge(vectors, on_circle(angles), penalty=ridge * size).weights.T
    return orthonormal(slopes.to(vectors))


@guarded(pair=(_pair, finite))
def orthonormal(pair: Float[Tensor, "axis=2 d_model"]) -> Float[Tensor, "axis=2 d_model"]:
    """The first at length 1, and the second without its part along the first, at length 1.

    Raises:
        ValueError: one has length 0, or they are parallel, so that rounding alone would be left.
    """
    first = pair[0] / pair[0].norm()
    second = pair[1] - (pair[1] @ first) * first
    if not second.norm() > 1e-5 * pair[1].norm():
        raise ValueError("The two directions are parallel, or one has length 0: give another.")
    return torch.stack([first, second / second.norm()])


@guarded(axes=(_pair, finite), angles=axes(1))
def towards(
    axes: Float[Tensor, "axis=2 d_model"], angles: Float[Tensor, " angle"]
) -> Float[Tensor, "angle d_model"]:
    """V cos t + A sin t for each angle t in degrees: directions of length 1."""
    return on_circle(angles).to(axes) @ axes


# ---- Splits -------------------------------------------------------------------------------------


@guarded(n=count(low=2))
def folds(
    words: EmotionWords, *, n: int, generator: torch.Generator
) -> list[Bool[Tensor, " word"]]:
    """n masks of words to hold out: whole groups, each in one of them.

    The groups are shuffled and then dealt quadrant by quadrant, so that no fold is all of one kind.

    Raises:
        ValueError: there are fewer groups than folds.
    """
    quadrant = dict(zip(words.groups, words.quadrants, strict=True))
    if n > len(quadrant):
        raise ValueError(f"{len(quadrant)} groups cannot be dealt into {n} folds: ask for fewer.")
    names = list(quadrant)
    order = torch.randperm(len(names), generator=generator).tolist()
    dealt = sorted((names[i] for i in order), key=quadrant.get)
    fold = {name: i % n for i, name in enumerate(dealt)}
    return [torch.tensor([fold[group] == i for group in words.groups]) for i in range(n)]


# ---- What steering does -------------------------------------------------------------------------


def _changes(value: Tensor, given: Mapping) -> str | None:
    wanted = given["model"].cfg.d_model
    fits = value.ndim == 2 and len(value) and value.shape[1] == wanted
    return None if fits else f"has shape {tuple(value.shape)}: give rows of d_model, {wanted}"


def _tokens(value: Tensor, given: Mapping) -> str | None:
    return index_of("vocabulary")(value, {"vocabulary": torch.empty(given["model"].cfg.d_vocab)})


@guarded(
    model=evaluating,
    texts=(several, filled),
    columns=(axes(1), filled, _tokens),
    changes=(_changes, finite),
    layer=layer_of(),
)
@torch.no_grad()
def steered_logits(
    model,
    texts: Sequence[str],
    columns: Int[Tensor, " column"],
    *,
    changes: Float[Tensor, "change d_model"] | None = None,
    layer: int = 0,
    direct: bool = True,
) -> Float[Tensor, "change text column"]:
    """Logits of some next tokens after each text, under each change of the residual stream.

    A change is added at all positions but the first, which is BOS.

    Args:
        columns: the tokens whose logits to keep.
        changes: None is no change (and the first axis of what returns has length 1).
        layer: where to add; see `utils.steering.steer`.
        direct: False takes each change out of the stream again after the last block: what the
            blocks made of it stays, its direct way to the unembedding is cut.

    Returns:
        On the CPU, float32.

    Raises:
        ValueError: a text is empty (a change has nothing to be added to) or longer than the
            context, or a change, a column or the layer does not fit the model.
    """
    rows = tokens_of(model, texts)
    if min(map(len, rows)) < 2:
        raise ValueError("A text is empty: BOS alone is not steered, so give it a word.")
    changes = torch.zeros(1, model.cfg.d_model) if changes is None else changes
    added = changes[:, None].to(model.cfg.device)
    end = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    start = end if layer == model.cfg.n_layers else f"blocks.{layer}.hook_resid_pre"
    everywhere = {"positions": slice(1, None)}

    def multiply(resid, hook):
        return resid.repeat(len(changes), 1, 1)  # up to here all changes are alike: run it once

    def only_last(resid, hook):
        return resid[:, -1:]  # one position to unembed

    found = []
    for row in rows:
        with ExitStack() as stack:
            stack.enter_context(model.hooks(fwd_hooks=[(start, multiply)]))
            stack.enter_context(steer(model, added, layer=layer, **everywhere))
            if not direct:
                stack.enter_context(steer(model, -added, layer=model.cfg.n_layers, **everywhere))
            stack.enter_context(model.hooks(fwd_hooks=[(end, only_last)]))
            logits = model(row[None])[:, 0]
        found.append(logits[:, columns.to(logits.device)].float().cpu())
    return torch.stack(found, dim=1)


def _masks(value: Sequence[Tensor], given: Mapping) -> str | None:
    n = len(given["vectors"])
    if not value or any(mask.shape != (n,) or mask.dtype != torch.bool for mask in value):
        return f"should be masks, True or False for each of {n} words"
    return None if (torch.stack(list(value)).sum(0) == 1).all() else "must hold out each word once"


@guarded(vectors=(axes(2), filled, finite), angles=(axes(1), as_long_as("vectors")), folds=_masks)
def held_out_dial(
    gains: Callable[[Float[Tensor, "turn d_model"]], Float[Tensor, "turn word"]],
    vectors: Float[Tensor, "word d_model"],
    angles: Float[Tensor, " word"],
    folds: Sequence[Bool[Tensor, " word"]],
    turns: Float[Tensor, " turn"],
    *,
    size: float,
) -> Float[Tensor, "turn word"]:
    """How much each word gains at each turn of a dial that was made without this word.

    For each fold, axes of valence V and arousal A are fitted (`circle_axes`) to the words that are
    not held out. The model is steered by `size * (V cos t + A sin t)` at each turn t, and what the
    held-out words gain is kept.

    Args:
        gains: steers the model by each row of a tensor, and returns what each word's logit gains.
        angles: of the words, in degrees.
        folds: masks, True for the words to hold out. Each word is held out in one of them.
        turns: in degrees.
        size: the length of what is added.
    """
    radians = torch.deg2rad(turns)
    gained = torch.zeros(len(turns), len(angles))
    for held_out in folds:
        valence, arousal = circle_axes(vectors[~held_out], angles[~held_out])
        directions = torch.outer(radians.cos(), valence) + torch.outer(radians.sin(), arousal)
        gained[:, held_out] = gains(size * directions)[:, held_out]
    return gained


@guarded(
    model=evaluating,
    prompts=(several, filled),
    changes=(_changes, finite),
    columns=(axes(1), filled, _tokens),
    layer=layer_of(),
)
@torch.no_grad()
def read_back(
    model,
    write: Callable[[Int[Tensor, "change pos"]], Int[Tensor, "change new"]],
    prompts: Sequence[str],
    changes: Float[Tensor, "change d_model"],
    columns: Int[Tensor, " word"],
    *,
    layer: int,
    cue: str = " I felt",
) -> Float[Tensor, "change prompt word"]:
    """What the unsteered model expects next after texts that it wrote while it was steered.

    The model writes on from each prompt, once for each change; the change is added at all positions
    but BOS. Then steering is off. The cue is appended to the prompt and what was written, and the
    logits of some next tokens are read. Last, the mean over changes is subtracted.

    Args:
        write: continues rows of tokens, and returns the new tokens alone.
        columns: the tokens whose logits to keep.
        layer: where to add; see `utils.steering.steer`.
        cue: text; `model.to_tokens` makes tokens of it, and of the prompts.
    """
    read = torch.zeros(len(changes), len(prompts), len(columns))
    cue_tokens = model.to_tokens(cue, prepend_bos=False)
    for i, prompt in enumerate(prompts):
        rows = model.to_tokens(prompt).repeat(len(changes), 1)
        with steer(model, changes[:, None], layer=layer, positions=slice(1, None)):
            new = write(rows)
        whole = torch.cat([rows, new, cue_tokens.repeat(len(changes), 1)], dim=1)
        read[:, i] = model(whole)[:, -1, columns]
    shared = read.mean(0)  # what a prompt's texts have in common
    return read - shared


@guarded(words=(several, filled))
def first_tokens(model, words: Sequence[str]) -> Int[Tensor, " word"]:
    """The first token of each word, after a space, which is not part of the word.

    Raises:
        ValueError: a word is empty or brings a space of its own.
    """
    if odd := [word for word in words if not word or word != word.strip()]:
        raise ValueError(f"{odd[0]!r} is empty or has spaces of its own: give the bare word.")
    return torch.tensor([int(model.to_tokens(f" {w}", prepend_bos=False)[0, 0]) for w in words])


def angle_of(points: Float[Tensor, "*n xy=2"]) -> Float[Tensor, "*n"]:
    """The angle of points in the plane, in degrees from 0 to 360.

    Raises:
        ValueError: a point is not finite, or is the origin, which has no angle.
    """
    if points.shape[-1:] != (2,) or not points.isfinite().all() or not points.any(-1).all():
        raise ValueError("Give each point two finite numbers, not both 0: the origin has no angle.")
    return torch.rad2deg(torch.atan2(points[..., 1], points[..., 0])) % 360


@guarded(change=finite, angles=(axes(1), finite))
def measured_angle(
    change: Float[Tensor, "*angle word"], angles: Float[Tensor, " word"]
) -> Float[Tensor, "*angle"]:
    """Where on the circle the words lie that gained, in degrees from 0 to 360.

    The change of each word is fitted by a + b cos + c sin of its angle (least squares), and the
    answer is the angle of (b, c), where that wave is highest. What all words gain goes into a, and
    words that crowd one side of the circle do not draw the answer to that side.

    Args:
        change: of log-probability or logit. What is added to all words alike does not matter.

    Raises:
        ValueError: all words gain alike, or the words have fewer than three angles.
    """
    if change.shape[-1:] != angles.shape or len(angles.unique()) < 3:
        raise ValueError("Give the change of each word, and words at three angles or more.")
    if not ((change.amax(-1) - change.amin(-1)) > 1e-6 * change.abs().amax(-1)).all():
        raise ValueError("All words gain alike somewhere in `change`: that points to no angle.")
    return _wave_top(change, angles)


def _wave_top(
    change: Float[Tensor, "*angle word"], angles: Float[Tensor, " word"]
) -> Float[Tensor, "*angle"]:
    design = torch.cat([torch.ones(len(angles), 1), on_circle(angles)], dim=1).to(change)
    return angle_of((change @ torch.linalg.pinv(design).T)[..., 1:])


@guarded(a=finite, b=finite)
def angular_error(a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The distance of two angles in degrees, the short way round: from 0 to 180.

    Args:
        a, b: in degrees, of any size: -10, 350 and 710 are the same angle. Their shapes broadcast.
    """
    apart = (a - b).abs() % 360
    return torch.minimum(apart, 360 - apart)


@guarded(change=(axes(3), finite), wanted=axes(1), minus=(shaped_as("change"), finite), n=count())
def error_interval(
    change: Float[Tensor, "split angle word"],
    words: EmotionWords,
    wanted: Float[Tensor, " angle"],
    *,
    minus: Float[Tensor, "split angle word"] | None = None,
    n: int = 1000,
    generator: torch.Generator | None = None,
) -> Interval:
    """95% percentile interval of the mean angular error, over splits and wanted angles.

    What is drawn with replacement is groups of words, the same in all splits; the axes stay.

    Args:
        minus: if given, the interval is of the error of `change` minus that of this, on the same
            draws.
        n: how many times to draw.
        generator: of the draws; without one they are the same each time.

    Raises:
        ValueError: the words are of one group alone, or `change` has other angles or words.
    """
    sizes = len(wanted), len(words.words)
    if change.shape[1:] != sizes or len(set(words.groups)) < 2:
        raise ValueError(
            f"`change` should be [split, {sizes[0]}, {sizes[1]}], with an axis for the wanted "
            f"angles and one for the words, of two groups or more."
        )
    rows: dict[str, list[int]] = {}
    for i, group in enumerate(words.groups):
        rows.setdefault(group, []).append(i)
    groups = list(rows.values())
    generator = generator or torch.Generator().manual_seed(0)
    errors = []
    for _ in range(n):
        drawn = torch.randint(len(groups), (len(groups),), generator=generator).tolist()
        chosen = torch.tensor([i for group in drawn for i in groups[group]])
        each = [
            angular_error(_wave_top(x[..., chosen], words.angles[chosen]), wanted).mean()
            for x in (change, minus)
            if x is not None
        ]
        errors.append(each[0] if minus is None else each[0] - each[1])
    return stats.percentiles(torch.stack(errors))


@guarded(found=finite, angles=(shaped_as("found"), finite))
def circularity(
    found: Float[Tensor, "*draw word"], angles: Float[Tensor, "*draw word"]
) -> Float[Tensor, "*draw"]:
    """How well two sets of angles agree, up to a rotation and a reflection: 1 is perfectly.

    The length of the mean of exp(i (found - angles)), or of exp(i (found + angles)) if that is
    longer.

    Raises:
        ValueError: there are fewer than three words, an angle is not finite, or shapes differ.
    """
    if found.shape[-1:] < (3,):
        raise ValueError("Fewer than three angles agree with nearly any others: give more words.")
    turned = [on_circle(found + sign * angles).mean(-2).norm(dim=-1) for sign in (-1, 1)]
    return torch.maximum(*turned)


@guarded(found=axes(1), angles=shaped_as("found"), n=count())
def circularity_p(
    found: Float[Tensor, " word"],
    angles: Float[Tensor, " word"],
    *,
    n: int = 10_000,
    generator: torch.Generator | None = None,
) -> float:
    """How often angles that were dealt out at random fit as well as the true ones, with (1+) n.

    The permuted angles may be rotated and reflected just as the real ones may.

    Args:
        n: how many times to deal.
        generator: of the deals; without one they are the same each time.
    """
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.rand(n, len(angles), generator=generator).argsort(dim=1)
    as_good = circularity(found.expand(n, -1), angles[order]) >= circularity(found, angles) - 1e-6
    return (1 + as_good.sum().item()) / (1 + n)


@guarded(points=(filled, finite))
def ring_score(points: Float[Tensor, "*draw word xy=2"]) -> Float[Tensor, "*draw"]:
    """How unlike a ring points in a plane are: the spread of their radius, over its mean.

    The points are centred and whitened first: shifted and linearly mapped, so that both
    coordinates have mean 0 and variance 1 and are uncorrelated. An ellipse becomes a circle. 0 is a
    perfect ring; an even disc has about 0.35, and a Gaussian cloud about 0.5.

    Raises:
        ValueError: the points lie on a line, or are fewer than four.
    """
    if points.shape[-1] != 2 or points.shape[-2] < 4:
        raise ValueError(f"`points` has shape {tuple(points.shape)}: give four points [word, 2].")
    centred = points - points.mean(-2, keepdim=True)
    sides, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    if not (sizes[..., 1] > 1e-5 * sizes[..., 0]).all():
        raise ValueError("The points lie on a line: their radius means nothing.")
    radius = sides.norm(dim=-1)
    return radius.std(-1, unbiased=False) / radius.mean(-1)


# ---- The investigation --------------------------------------------------------------------------


class SealedDials:
    """Three dials under the letters a, b and c, and a budget of readings."""

    def __init__(
        self,
        dials: Mapping[str, tuple[Float[Tensor, "axis=2 d_model"], int]],
        show: Callable[[Float[Tensor, "axis=2 d_model"], int, float], Float[Tensor, "..."]],
        *,
        order: Sequence[str],
        budget: int = 6,
    ):
        """The dials, as axes and a layer each, by name; the order gives the names of a, b and c.

        Args:
            show: from axes, layer and angle to what a reading returns.
        """
        self._dials = dict(zip("abc", (dials[name] for name in order), strict=True))
        self._show, self.left = show, budget

    def ask(self, letter: str, angle: float) -> Float[Tensor, "..."]:
        """A reading of one dial at one angle.

        Raises:
            ValueError: there is no such dial, or the budget is spent.
        """
        if letter not in self._dials:
            raise ValueError(f"There is no dial {letter!r}: choose a, b or c.")
        if not self.left:
            raise ValueError("You have used all your readings: decide with what you have.")
        self.left -= 1
        return self._show(*self._dials[letter], angle)
