"""Steering vectors from contrast pairs, and what a forward pass alone says of their effect.

Layer L is `blocks.L.hook_resid_pre`, the residual stream before block L, as in `utils.steering`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.activations import tokens_of
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    guarded,
    several,
    shaped_as,
)
from utils.reading import probes


def _with_text(value: Tensor, given: Mapping) -> str | None:
    shortest, longest, width = int(value.min()), int(value.max()), given["resid"].shape[1]
    fits = shortest >= 2 and longest <= width
    return None if fits else f"run from {shortest} to {longest}: BOS and text take 2 to {width}"


def _as_wide_as_resid(value: Tensor, given: Mapping) -> str | None:
    width = given["resid"].shape[-1]
    return None if value.shape == (width,) else f"has shape {tuple(value.shape)}: give [{width}]"


def _layers_below_the_end(value: Sequence[int], given: Mapping) -> str | None:
    top = given["model"].cfg.n_layers - 1
    missing = [layer for layer in value if layer not in range(top + 1)]
    return f"holds {missing}: this model has layers 0 to {top}" if missing else None


@guarded(resid=(axes(3), filled), lengths=(as_long_as("resid"), _with_text))
def mean_over_tokens(
    resid: Float[Tensor, "batch pos d_model"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch d_model"]:
    """The mean vector of each text, without BOS and without padding.

    Args:
        resid: BOS stands at position 0, padding on the right.
        lengths: how many tokens of each row are text, BOS among them; the rest is padding.
    """
    at = torch.arange(resid.shape[1], device=resid.device)
    mask = (at > 0) & (at < lengths.to(resid.device)[:, None])
    return (resid * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


@guarded(resid=axes(3), vector=_as_wide_as_resid, start=count(low=0), past=count(low=0))
def add_from(
    resid: Float[Tensor, "batch here d_model"],
    vector: Float[Tensor, " d_model"],
    *,
    start: int,
    past: int,
) -> Float[Tensor, "batch here d_model"]:
    """A copy of `resid` with `vector` added at all positions of the text from `start` on.

    Args:
        resid: at the positions that run now.
        start: counted from the start of the whole text, where BOS is 0.
        past: how many positions are in the key-value cache: `resid[:, 0]` is position `past` of
            the text.
    """
    position = past + torch.arange(resid.shape[1], device=resid.device)
    return resid + (position >= start)[:, None] * vector


@guarded(
    model=evaluating,
    texts=(several, filled),
    layers=(filled, _layers_below_the_end),
    batch_size=count(),
)
@torch.no_grad()
def mean_activations(
    model, texts: Sequence[str], *, layers: Sequence[int], batch_size: int = 30
) -> Float[Tensor, "layer text d_model"]:
    """`mean_over_tokens` of each text at the given layers, on the CPU, float32.

    Args:
        layers: each below the model's `n_layers`; blocks above the last of them do not run.

    Raises:
        ValueError: a text is empty or longer than the context, or a layer does not exist.
    """
    rows = tokens_of(model, texts)
    out = torch.empty(len(layers), len(rows), model.cfg.d_model)
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))

    def keep(resid, hook, at, chosen, lengths):
        out[at, chosen] = mean_over_tokens(resid, lengths).float().cpu()

    for start in range(0, len(rows), batch_size):
        chosen = by_length[start : start + batch_size]
        tokens = torch.nn.utils.rnn.pad_sequence([rows[i] for i in chosen], batch_first=True)
        sizes = {"chosen": chosen, "lengths": torch.tensor([len(rows[i]) for i in chosen])}
        hooks = [
            (f"blocks.{layer}.hook_resid_pre", partial(keep, at=i, **sizes))
            for i, layer in enumerate(layers)
        ]
        with model.hooks(fwd_hooks=hooks):
            model(tokens, stop_at_layer=max(layers) + 1)
    return out


@guarded(yes=(axes(2), filled, finite), no=(shaped_as("yes"), finite))
def direction(
    yes: Float[Tensor, "pair d_model"], no: Float[Tensor, "pair d_model"], method: str
) -> Float[Tensor, " d_model"]:
    """A direction that points to a concept, of whatever length the method gives.

    Args:
        yes: the mean vectors of the sentences with the concept, at one layer.
        no: of their partners without it.
        method: "CAA", the mean difference (Rimsky et al., arXiv 2312.06681); "probe", the weights
            of a logistic regression; or "pair 7", the difference of that pair alone, the idea of
            ActAdd (Turner et al., arXiv 2308.10248).

    Raises:
        ValueError: there is no such method, or no such pair.
    """
    name, _, number = method.partition(" ")
    if method == "CAA":
        return (yes - no).mean(0)
    if name == "pair" and number.isdecimal() and int(number) < len(yes):
        return (yes - no)[int(number)]
    if method == "probe":
        labels = torch.tensor([1, 0]).repeat_interleave(len(yes))
        return probes.logistic(torch.cat([yes, no]), labels).direction
    raise ValueError(
        f"There is no method {method!r}; choose CAA, probe or pair N, from pair 0 to pair "
        f"{len(yes) - 1}."
    )


class PairReading(NamedTuple):
    """What one forward pass over contrast pairs says.

    Attributes:
        preference: [pair], log probability a token of the sentence with the concept, minus that of
            the sentence without it, in nats.
        log_probs: of every next token, [text, pos, d_vocab].
        is_text: [text, pos], where there is a next token that is no padding.
    """

    preference: Float[Tensor, " pair"]
    log_probs: Float[Tensor, "text pos d_vocab"]
    is_text: Float[Tensor, "text pos"]


@guarded(model=evaluating, pairs=filled)
@torch.no_grad()
def read_pairs(model, pairs: Sequence[tuple[str, str]]) -> PairReading:
    """Run both sentences of each pair, in one batch; under `steer`, it is steered.

    Args:
        pairs: (with the concept, without it).

    Raises:
        ValueError: a pair is not two texts, or a text is empty or longer than the context.
    """
    if any(isinstance(pair, str) or len(pair) != 2 for pair in pairs):
        raise ValueError("Each of `pairs` is two texts: with the concept, and without it.")
    rows = tokens_of(model, [pair[0] for pair in pairs] + [pair[1] for pair in pairs])
    if min(map(len, rows)) < 2:
        raise ValueError("A text of `pairs` is empty: each needs a token besides BOS.")
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=tokens.device)
    is_text = (torch.arange(1, tokens.shape[1], device=tokens.device) < lengths[:, None]).float()
    log_probs = model(tokens)[:, :-1].log_softmax(-1)
    own = log_probs.gather(-1, tokens[:, 1:, None])[..., 0]
    own = (own * is_text).sum(1) / is_text.sum(1)
    return PairReading(own[: len(pairs)] - own[len(pairs) :], log_probs, is_text)


def one_token_cost(steered: PairReading, unsteered: PairReading) -> float:
    """By what factor one steered token raises the perplexity under the unsteered model.

    At every position of the texts: the mean surprise (-log probability) that the unsteered model
    has at a token drawn from the steered one, against a token of its own. Nothing is drawn, the
    mean is exact; but it is the cost of a first token, before the errors add up.

    Raises:
        ValueError: the two readings are not of the same texts.
    """
    if not torch.equal(steered.is_text, unsteered.is_text):
        raise ValueError("The two readings are of other texts: read the same pairs in both.")
    ratio = ((unsteered.log_probs.exp() - steered.log_probs.exp()) * unsteered.log_probs).sum(-1)
    return ((ratio * unsteered.is_text).sum() / unsteered.is_text.sum()).exp().item()
