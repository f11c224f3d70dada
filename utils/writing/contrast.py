"""Steering vectors from contrast pairs: made, read, added while a model writes, and measured.

Layer L is `blocks.L.hook_resid_pre`, the residual stream before block L, as in `utils.steering`.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.concepts import task as concepts
from utils.activations import tokens_of
from utils.guards import (
    axes,
    count,
    evaluating,
    filled,
    finite,
    guarded,
    number,
    several,
    shaped_as,
)
from utils.steering import at_dose, steer, typical_norm


@guarded(model=evaluating, texts=(several, filled))
def padded(model, texts: Sequence[str]) -> tuple[Int[Tensor, "text pos"], Bool[Tensor, "text pos"]]:
    """Tokens of texts, BOS in front and padding on the right, and which of them are text.

    Returns:
        (tokens, is_text); is_text is False at BOS and at padding.

    Raises:
        ValueError: a text is empty, or longer than the context.
    """
    rows = tokens_of(model, texts)
    if min(map(len, rows)) < 2:
        raise ValueError("A text is empty: each needs a token besides BOS.")
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=tokens.device)
    at = torch.arange(tokens.shape[1], device=tokens.device)
    return tokens, (at > 0) & (at < lengths[:, None])


@guarded(
    model=evaluating,
    with_concept=(several, filled),
    without=(several, filled),
    layers=filled,
)
@torch.no_grad()
def contrast_vectors(
    model, with_concept: Sequence[str], without: Sequence[str], *, layers: Sequence[int]
) -> Float[Tensor, "layer d_model"]:
    """The contrast vector of a concept at each of some layers: a difference of two means.

    A text's vector at a layer is the mean of the residual stream before that block over the
    tokens of the text, without BOS and without padding. Every text counts alike, however long.
    After contrastive activation addition (Rimsky et al., arXiv 2312.06681), which reads one token.

    Args:
        model: a TransformerBridge. `padded(model, texts)` gives its tokens and where text is.
        with_concept: sentences with the concept.
        without: sentences without it.
    """
    means = []
    for texts in (with_concept, without):
        tokens, is_text = padded(model, texts)
        _, cache = model.run_with_cache(
            tokens, names_filter=lambda name: name.endswith("hook_resid_pre")
        )
        resid = torch.stack([cache["resid_pre", layer] for layer in layers])
        of_text = (resid * is_text[..., None]).sum(2) / is_text.sum(1)[:, None]
        means.append(of_text.mean(1))
    return means[0] - means[1]


@guarded(vector=(axes(1), finite), k=count())
def read_vector(model, vector: Float[Tensor, " d_model"], *, k: int) -> tuple[list[str], list[str]]:
    """The tokens that a vector in the residual stream raises most, and lowers most, directly.

    The vector goes through the weight of the final norm and through the unembedding, as if it were
    all that the stream holds. (The norm also divides by the stream's length, which changes no
    order.)

    Returns:
        (raised, lowered): k tokens each as strings, the strongest first.
    """
    logits = (vector * model.ln_final.weight) @ model.W_U
    raised, lowered = logits.topk(k).indices, (-logits).topk(k).indices
    return (
        [model.tokenizer.decode([token]) for token in raised.tolist()],
        [model.tokenizer.decode([token]) for token in lowered.tolist()],
    )


@guarded(model=evaluating, tokens=(axes(2), filled), vectors=(axes(2), finite))
@torch.no_grad()
def shift_at_end(
    model, tokens: Int[Tensor, "text pos"], vectors: Float[Tensor, "n d_model"], *, layer: int
) -> Float[Tensor, "n d_model"]:
    """How each of some vectors, added at a layer, moves the stream after the last block.

    The same text is run with and without the vector, which is added at all positions but BOS; the
    result is the mean difference over texts and over positions but BOS, one for each vector.
    """
    name = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    ends = []
    for vector in torch.cat([torch.zeros_like(vectors[:1]), vectors]):
        with steer(model, vector, layer=layer, positions=slice(1, None)):
            _, cache = model.run_with_cache(tokens, names_filter=name)
        ends.append(cache[name][:, 1:].mean((0, 1)))
    return torch.stack(ends[1:]) - ends[0]


@guarded(vectors=(axes(2), finite), start=count(low=0))
def steering_hook(
    vectors: Float[Tensor, "row d_model"], *, start: int = 1
) -> Callable[[Float[Tensor, "row here d_model"], object], Float[Tensor, "row here d_model"]]:
    """A hook that adds a vector to each row's stream, at all positions of the text from `start` on.

    With a key-value cache a model runs the prompt first, and then one new position at a time. So
    the hook counts: its first call sees position 0 (BOS) and those after it, and every later call
    goes on where the last one stopped. It serves one run; the next one needs a new hook.

    Args:
        vectors: one for each row of the batch.
        start: the first position that is steered.

    Returns:
        hook(resid, hook): a changed copy of `resid`.
    """
    seen = 0

    def add(resid, hook=None):
        nonlocal seen
        position = seen + torch.arange(resid.shape[1], device=resid.device)
        seen += resid.shape[1]
        steered = (position >= start)[:, None]
        return resid + steered * vectors.to(resid)[:, None]

    return add


@guarded(prompts=(axes(2), filled), direction=(axes(1), finite), doses=filled)
def dose_sweep(
    write: Callable[[Tensor, list], Tensor],
    measure: Callable[[Tensor], Tensor],
    prompts: Int[Tensor, "opening pos"],
    direction: Float[Tensor, " d_model"],
    *,
    layer: int,
    doses: Sequence[float],
    norm: float,
    cut_at: str | None = None,
) -> Float[Tensor, "dose number opening"]:
    """What steered text measures at each dose; all openings and doses run in one batch.

    Args:
        write: write(rows, hooks) gives new tokens [row, new] for rows of prompts [row, pos], under
            hooks, a list of (name of a hook point, hook).
        measure: measure(new) gives some numbers for each row, [row, number].
        direction: of any length.
        layer: the vector is added before this block, at all positions but BOS.
        doses: lengths of the added vector over `norm`.
        norm: the typical norm of the stream at `layer`.
        cut_at: a hook point where the same vector is taken out again; None for nowhere.
    """
    vectors = torch.stack([at_dose(direction, dose, norm=norm) for dose in doses])
    added = vectors.repeat_interleave(len(prompts), 0)
    hooks = [(f"blocks.{layer}.hook_resid_pre", steering_hook(added))]
    if cut_at is not None:
        hooks.append((cut_at, steering_hook(-added)))
    measured = measure(write(prompts.repeat(len(doses), 1), hooks))
    return measured.view(len(doses), len(prompts), -1).mT


@guarded(pairs=filled)
def half_turned(
    pairs: Sequence[tuple[str, str]], *, generator: torch.Generator
) -> tuple[list[str], list[str]]:
    """The two sides of contrast pairs, with exactly half of the pairs turned round.

    A turned pair has its two sentences exchanged; a pair stays a pair. Which half is turned is
    drawn at random (of an odd number, the smaller half).

    Args:
        pairs: (with the concept, without it).
        generator: on the CPU, for `torch.randperm`.

    Returns:
        (first sentences, second sentences), in the order of the pairs.
    """
    drawn = torch.randperm(len(pairs), generator=generator)[: len(pairs) // 2].tolist()
    turned = [pair[::-1] if i in drawn else pair for i, pair in enumerate(pairs)]
    return [first for first, _ in turned], [second for _, second in turned]


@guarded(
    values=(axes(2), filled, finite),
    along=(shaped_as("values"), finite),
    wanted=number(low=0, over=True),
)
def read_off(
    values: Float[Tensor, "dose opening"], along: Float[Tensor, "dose opening"], wanted: float
) -> Float[Tensor, " opening"]:
    """Each opening's value at the dose where the mean of `along` first reaches `wanted`.

    Between two doses both go along straight lines; before the first dose both start from 0. The
    dose is one for all openings. Where the mean of `along` never reaches `wanted`, there is nothing
    to read off: all are NaN.

    Args:
        values: what to read off, such as effects; the doses in rising order.
        along: what sets the dose, such as costs.
        wanted: above 0.
    """
    nothing = torch.zeros_like(values[:1])
    values, mean = torch.cat([nothing, values]), torch.cat([nothing, along]).mean(1)
    for i in range(1, len(mean)):
        if mean[i] >= wanted:
            share = (wanted - mean[i - 1]) / (mean[i] - mean[i - 1])
            return values[i - 1] + share * (values[i] - values[i - 1])
    return torch.full_like(values[0], torch.nan)


_VECTORS = {"A": ("sea", 25, 0.4), "B": ("random", 20, 0.3), "C": ("sea", 20, 0.4)}
_LUCKY = (1, 6)  # a direction and a sample that happened to score high on eight openings


class Sealed:
    """Three results of steering to the sea, and runs to test them: an investigation's.

    Attributes:
        left: how many runs are left.
    """

    def __init__(self, model, sampled: Callable[..., Tensor], *, runs: int = 4):
        """`sampled(rows, hooks, seed=0)` gives new tokens of rows of prompts."""
        self.left, self._model, self._sampled = runs, model, sampled
        self._added: dict[str, Tensor] = {}

    def first(self, name: str, prompts: Int[Tensor, "opening pos"]) -> Tensor:
        """The run that was reported: new tokens after the eight openings. It is free.

        Raises:
            ValueError: there is no such result.
        """
        hooks = self._hooks(name, len(prompts), cut=False)
        return self._sampled(prompts, hooks, seed=_LUCKY[1] if name == "B" else 0)

    def run(self, name: str, prompts: Int[Tensor, "opening pos"], *, cut: bool = False) -> Tensor:
        """New tokens under the vector of a result; `cut` cuts its direct way.

        Returns:
            [2 opening, 20]: a first sample of each prompt, then a second.

        Raises:
            ValueError: there is no such result, or no run is left.
        """
        if not self.left:
            raise ValueError("No run is left: make a new `Sealed`, and count it as a second try.")
        hooks = self._hooks(name, 2 * len(prompts), cut=cut)
        self.left -= 1
        return self._sampled(prompts.repeat(2, 1), hooks)

    def _hooks(self, name: str, n: int, *, cut: bool) -> list[tuple[str, Callable]]:
        if name not in _VECTORS:
            raise ValueError(f"There is no result {name!r}: choose from {', '.join(_VECTORS)}.")
        _, layer, _ = _VECTORS[name]
        if name not in self._added:
            self._added[name] = self._vector(*_VECTORS[name])
        vectors = self._added[name].expand(n, -1)
        hooks = [(f"blocks.{layer}.hook_resid_pre", steering_hook(vectors))]
        if cut:
            end = f"blocks.{self._model.cfg.n_layers - 1}.hook_resid_post"
            hooks.append((end, steering_hook(-vectors)))
        return hooks

    def _vector(self, kind: str, layer: int, dose: float) -> Tensor:
        norm = typical_norm(self._model, concepts.openings(part="choose"), layer=layer)
        if kind == "random":
            generator = torch.Generator().manual_seed(_LUCKY[0])
            direction = torch.randn(self._model.cfg.d_model, generator=generator)
        else:
            with_concept, without = zip(*concepts.pairs(kind, part="fit"), strict=True)
            direction = contrast_vectors(self._model, with_concept, without, layers=[layer])[0]
        return at_dose(direction, dose, norm=norm)
