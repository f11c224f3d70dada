"""Crosscoders: one sparse code for two models, and what it says is in only one of them.

Activations of two models on the same tokens are [model=2 batch d_model]: model 0 is the base,
model 1 the tuned one. `coder` is a `Crosscoder`, or has the same fields; `pair` a `PlantedPair`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from utils.guards import axes, count, finite, guarded, number


def _two_models(value: Tensor, _) -> str | None:
    return None if value.shape[0] == 2 else f"has {value.shape[0]} models on its first axis, not 2"


class Crosscoder(NamedTuple):
    """Weights of a crosscoder; a latent has one activation, and a decoder row for each model."""

    W_enc: Float[Tensor, "model=2 d_model latent"]
    b_enc: Float[Tensor, " latent"]
    W_dec: Float[Tensor, "model=2 latent d_model"]
    b_dec: Float[Tensor, "model=2 1 d_model"]


# ---- Planted pairs of models --------------------------------------------------------------------


class PlantedPair(NamedTuple):
    """Two models that share directions; a scale is 0 where a model has not the feature."""

    directions: Float[Tensor, "feature d_model"]
    scale: Float[Tensor, "model=2 feature"]


def planted_pair(
    scales: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5),
    *,
    n: int = 64,
    d_model: int = 32,
    only: tuple[int, int] = (2, 2),
    generator: torch.Generator,
) -> PlantedPair:
    """Features of random directions: weak ones, ones in a single model, and ones alike in both.

    In this order: two for each of `scales`, which have that scale in the base model and 1 in the
    tuned one; `only[1]` in the tuned model alone; `only[0]` in the base model alone; the rest have
    scale 1 in both.

    Raises:
        ValueError: there are not so many features.
    """
    if n < 2 * len(scales) + sum(only):
        raise ValueError(f"{n} features are too few for so many special ones: give more.")
    directions = torch.randn(n, d_model, generator=generator)
    scale = torch.ones(2, n)
    weak = torch.tensor(scales).repeat_interleave(2)
    scale[0, : len(weak)] = weak
    scale[0, len(weak) : len(weak) + only[1]] = 0
    scale[1, len(weak) + only[1] : len(weak) + sum(only)] = 0
    return PlantedPair(directions / directions.norm(dim=1, keepdim=True), scale)


@guarded(n=count(), p=number(low=0, high=1), noise=number(low=0))
def draw_pair(
    pair, n: int, *, p: float = 0.04, noise: float = 0.02, generator: torch.Generator
) -> tuple[Float[Tensor, "model=2 n d_model"], Float[Tensor, "n feature"]]:
    """Activations of both models on `n` tokens, and how active each feature is there.

    A feature is active with probability p, with a strength between 0.5 and 1.5 that both models
    share; each model has noise of its own.
    """
    size = (n, len(pair.directions))
    active = torch.rand(size, generator=generator) < p
    strength = active * (0.5 + torch.rand(size, generator=generator))
    x = (strength * pair.scale[:, None]) @ pair.directions
    return x + noise * torch.randn(x.shape, generator=generator), strength


# ---- Crosscoders --------------------------------------------------------------------------------


def decoder_norms(coder) -> Float[Tensor, "model=2 latent"]:
    """The length of each latent's decoder row in each model."""
    return coder.W_dec.norm(dim=-1)


@guarded(x=(axes(3), _two_models, finite))
def encode(
    coder, x: Float[Tensor, "model=2 batch d_model"], *, k: float | None = None
) -> Float[Tensor, "batch latent"]:
    """Activations of the latents: one for both models.

    Args:
        k: BatchTopK: of the whole batch keep the `int(k * batch)` activations that are largest
            times the sum of their two decoder norms, and set the rest to 0. None keeps all above 0.

    Source: Lindsey et al. (2024), transformer-circuits.pub/2024/crosscoders; BatchTopK for
    crosscoders: Minder et al. (2025), arXiv 2504.02922.
    """
    f = (torch.einsum("mbd,mdl->bl", x, coder.W_enc) + coder.b_enc).relu()
    if k is None:
        return f
    size = f * decoder_norms(coder).sum(0)
    return f * (size >= size.flatten().topk(max(1, int(k * len(f)))).values[-1])


@guarded(f=axes(2))
def decode(coder, f: Float[Tensor, "batch latent"]) -> Float[Tensor, "model=2 batch d_model"]:
    """Both models' activations, rebuilt."""
    return f @ coder.W_dec + coder.b_dec


@guarded(x=(axes(3), _two_models, finite), penalty=number(low=0))
def crosscoder_loss(
    coder,
    x: Float[Tensor, "model=2 batch d_model"],
    f: Float[Tensor, "batch latent"],
    *,
    penalty: float,
) -> Float[Tensor, ""]:
    """The squared errors of both models, summed, and the penalty, as means over the batch.

    The penalty of a latent is its activation times the *sum of its two decoder norms*.

    Args:
        f: the latents' activations on x.

    Source: Lindsey et al. (2024), transformer-circuits.pub/2024/crosscoders.
    """
    error = (decode(coder, f) - x).square().sum(-1).sum(0)
    sparsity = (f * decoder_norms(coder).sum(0)).sum(-1)
    return (error + penalty * sparsity).mean()


def new_crosscoder(d_model: int, n_latents: int, *, generator: torch.Generator) -> Crosscoder:
    """A crosscoder before its training, its weights ready for gradients.

    Decoder rows are random and of length 0.3; the encoder is the decoder turned round.
    """
    W_dec = torch.randn(2, n_latents, d_model, generator=generator)
    W_dec = 0.3 * W_dec / W_dec.norm(dim=-1, keepdim=True)
    weights = (
        W_dec.transpose(1, 2).clone(),
        torch.zeros(n_latents),
        W_dec,
        torch.zeros(2, 1, d_model),
    )
    return Crosscoder(*(weight.requires_grad_() for weight in weights))


# ---- What a latent says about two models --------------------------------------------------------


def norm_ratio(coder) -> Float[Tensor, " latent"]:
    """The decoder norm in the base model over that in the tuned one: 0 is "in the tuned alone"."""
    base, tuned = decoder_norms(coder)
    return base / tuned


@guarded(x=(axes(3), _two_models, finite), f=axes(2))
def latent_scaling(
    coder, x: Float[Tensor, "model=2 batch d_model"], f: Float[Tensor, "batch latent"]
) -> Float[Tensor, "model=2 latent"]:
    """How much of each latent is in each model, asked of the activations and not of the decoder.

    For latent j take what all *other* latents leave of a model's activations. Over the batch, fit
    it by one number times `f[:, j] * W_dec[1, j]`, the latent's part in the tuned model, by least
    squares. Near 1 for the tuned model; the base model's is 0 for a latent that it has not.
    A latent that is never active gets NaN.

    Source: latent scaling (Minder et al., 2025, arXiv 2504.02922), on error and own part together.
    """
    error = x - decode(coder, f)
    tuned = coder.W_dec[1]
    left = torch.einsum("bl,mbd,ld->ml", f, error, tuned)
    power = f.square().sum(0)
    own = power * (coder.W_dec * tuned).sum(-1)
    return (left + own) / (power * tuned.square().sum(-1))


@guarded(f=axes(2))
def matched_latents(
    coder, pair, f: Float[Tensor, "batch latent"], *, least: float = 0.9
) -> dict[int, int]:
    """Feature -> the active latent most like it, if the cosine of the decoder is at least that."""
    active = (f > 0).any(0)
    found = {}
    for i, direction in enumerate(pair.directions):
        model = int(pair.scale[1, i] > 0)
        rows = torch.nn.functional.normalize(coder.W_dec[model], dim=-1)
        cosine = (rows @ direction).masked_fill(~active, -1)
        if cosine.max() >= least:
            found[i] = int(cosine.argmax())
    return found
