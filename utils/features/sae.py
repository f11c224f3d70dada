"""Sparse autoencoders: three kinds, their file format, training, scores and controls.

An SAE writes a vector as a bias plus a sum of few of its `d_sae` directions:
`acts = f((x - b_dec) @ W_enc + b_enc)`, `x_hat = acts @ W_dec + b_dec`. Layer L means
`resid_pre L`, the residual stream before block L.
"""

import bisect
import functools
import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from utils.features.guards import as_wide_as, at_most, precise, varies
from utils.generation import bare_model
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    floating,
    guarded,
    layer_of,
    number,
)

# ---- Three kinds --------------------------------------------------------------------------------


class SAE(nn.Module):
    """What the three kinds share: weights, and linear parts on both sides of the activation.

    Attributes:
        W_enc: [d_in, d_sae]; b_enc: [d_sae].
        W_dec: [d_sae, d_in], a direction of length 1 for each latent; b_dec: [d_in].
    """

    architecture: ClassVar[str]

    @guarded(d_in=count(), d_sae=count())
    def __init__(self, d_in: int, d_sae: int, *, generator: torch.Generator | None = None):
        """Random directions of length 1; the encoder starts as the decoder's transpose.

        Args:
            generator: of the directions; without one, they are the same each time.
        """
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        drawn = F.normalize(torch.randn(d_sae, d_in, generator=generator))
        self.W_dec = nn.Parameter(drawn)
        self.W_enc = nn.Parameter(drawn.clone().T)  # kept by latent, so that few are quick to read
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.b_dec = nn.Parameter(torch.zeros(d_in))

    @property
    def d_in(self) -> int:
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        return self.W_dec.shape[0]

    def pre_acts(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_sae"]:
        """What the encoder says of each latent before the activation."""
        return F.linear(self.centred(x), self.W_enc.T, self.b_enc)

    def centred(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_in"]:
        """What is encoded: the vector less `b_dec`.

        Raises:
            ValueError: the vectors are of another size.
        """
        if x.shape[-1] != self.d_in:
            raise ValueError(
                f"`x` has vectors of {x.shape[-1]} numbers, and this SAE reads vectors of "
                f"{self.d_in}: give those of the layer it was trained on."
            )
        return x - self.b_dec

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_sae"]:
        """How active each latent is, zero for most."""
        raise NotImplementedError

    def decode(self, acts: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_in"]:
        """The vector that the active latents stand for."""
        return acts @ self.W_dec + self.b_dec

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_in"]:
        return self.decode(self.encode(x))

    def loss(
        self, x: Float[Tensor, "batch d_in"], *, dead: Bool[Tensor, " d_sae"] | None = None
    ) -> tuple[Float[Tensor, ""], Bool[Tensor, " d_sae"]]:
        """What training makes small, and which latents fired in this batch.

        Args:
            x: scaled so that its mean squared distance from its mean is 1, as `Training` does: the
                squared error is then the share of variance left unexplained.
            dead: latents that have long not fired; TopK alone does something about them.
        """
        acts = self.encode(x)
        error = (self.decode(acts) - x).square().sum(-1).mean()
        return error + self.penalty(x, acts), (acts > 0).any(0)

    def penalty(self, x: Tensor, acts: Float[Tensor, "batch d_sae"]) -> Float[Tensor, ""]:
        """What is paid for activity, a mean over the batch."""
        raise NotImplementedError

    @guarded(factor=number(low=0, over=True))
    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Make an SAE that was trained on `x / factor` one for `x`: directions stay as they are."""
        self.b_enc *= factor
        self.b_dec *= factor

    def settings(self) -> dict:
        """What `save_sae` writes of this kind, besides sizes."""
        return {}


class ReLUSAE(SAE):
    """ReLU, and an L1 penalty on the activations. Source: arXiv 2309.08600."""

    architecture = "standard"

    @guarded(l1=number(low=0))
    def __init__(
        self,
        d_in: int,
        d_sae: int,
        *,
        l1: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__(d_in, d_sae, generator=generator)
        self.l1 = l1

    def encode(self, x):
        return self.pre_acts(x).relu()

    def penalty(self, x, acts):
        return self.l1 * acts.sum(-1).mean()


def _at_most_d_sae(k: int, given: Mapping) -> str | None:
    d_sae = given["d_sae"]
    return f"is {k}, and there are {d_sae} latents: choose fewer" if k > d_sae else None


DENSE_BELOW = 512  # so few latents are quicker to train with dense products


class TopKSAE(SAE):
    """The k largest pre-activations of each vector, those above 0. Source: arXiv 2406.04093.

    Training touches the weights of active latents alone, if there are many. Only the choice of the
    k needs a dense product, which may be coarse (bfloat16): the k values themselves are always
    exact.
    """

    architecture = "topk"

    @guarded(k=(count(), _at_most_d_sae), aux=number(low=0))
    def __init__(
        self,
        d_in: int,
        d_sae: int,
        *,
        k: int,
        aux: float = 1 / 32,
        coarse: bool = False,
        generator: torch.Generator | None = None,
    ):
        """
        Args:
            aux: weight of the auxiliary loss by which dead latents learn to explain the error.
            coarse: choose the k in bfloat16 while training. `encode` never does.
        """
        super().__init__(d_in, d_sae, generator=generator)
        self.k, self.aux, self.coarse = k, aux, coarse

    def encode(self, x):
        values, indices = self.pre_acts(x).topk(self.k, dim=-1, sorted=False)
        empty = torch.zeros(*x.shape[:-1], self.d_sae, dtype=values.dtype, device=x.device)
        return empty.scatter(-1, indices, values.relu())

    def loss(self, x, *, dead=None):
        centred = self.centred(x)
        if self.d_sae < DENSE_BELOW:
            acts = self.encode(x)
            return self._with_aux(centred, acts @ self.W_dec, dead), (acts > 0).any(0)
        with torch.no_grad():
            kind = torch.bfloat16 if self.coarse else x.dtype
            weights = (part.to(kind) for part in (centred, self.W_enc.T, self.b_enc))
            chosen = F.linear(*weights).topk(self.k, dim=-1, sorted=False).indices
        out, values = _SparseCode.apply(centred, self.W_enc.T, self.b_enc, self.W_dec, chosen)
        fired = torch.zeros(self.d_sae, dtype=torch.bool, device=x.device)
        fired[chosen[values > 0]] = True
        return self._with_aux(centred, out, dead), fired

    def _with_aux(self, centred, out, dead):
        """The squared error, and the auxiliary loss where there are dead latents."""
        error = centred - out
        loss = error.square().sum(-1).mean()
        if self.aux and dead is not None and dead.any():
            loss = loss + self.aux * self._dead_loss(centred.detach(), error.detach(), dead)
        return loss

    def _dead_loss(self, centred, error, dead):
        """How well the likeliest dead latents explain what the living left over (AuxK)."""
        index = dead.nonzero()[:, 0]
        pre = F.linear(centred, self.W_enc.T[index], self.b_enc[index])
        values, at = pre.topk(min(self.d_in // 2, len(index)), dim=-1)
        acts = torch.zeros_like(pre).scatter(-1, at, values.relu())
        left = (error - acts @ self.W_dec[index]).square().sum(-1).mean()
        return left * min(len(index) / (self.d_in // 2), 1)

    def settings(self):
        return {"k": self.k, "rescale_acts_by_decoder_norm": False}


class BatchTopKSAE(SAE):
    """The k * n largest pre-activations of a batch of n vectors, those above 0: k on average.

    Outside training, all above the usual smallest of them (`cutoff`). Source: arXiv 2412.06410.
    """

    architecture = "batchtopk"

    @guarded(k=(count(), _at_most_d_sae))
    def __init__(self, d_in: int, d_sae: int, *, k: int, generator: torch.Generator | None = None):
        super().__init__(d_in, d_sae, generator=generator)
        self.k = k
        self.register_buffer("cutoff", torch.tensor(0.0))

    def encode(self, x):
        acts = self.pre_acts(x).relu()
        if not self.training:
            return acts * (acts > self.cutoff)
        least = acts.flatten().topk(self.k * (acts.numel() // self.d_sae)).values[-1].detach()
        self.cutoff = 0.9 * self.cutoff + 0.1 * least if self.cutoff else least
        return acts * (acts >= least)

    def penalty(self, x, acts):
        return torch.zeros((), device=x.device)

    @torch.no_grad()
    def rescale(self, factor):
        super().rescale(factor)
        self.cutoff *= factor


def step(
    pre: Float[Tensor, "batch latent"], threshold: Float[Tensor, " latent"], *, bandwidth: float
) -> Float[Tensor, "batch latent"]:
    """1 where `pre` is above its latent's threshold, 0 elsewhere, with a gradient by the threshold.

    Backward, a gradient g of the result gives the threshold -g / bandwidth wherever `pre` is
    within bandwidth / 2 of it, summed over the batch, and nothing elsewhere. `pre` gets none.

    Source: arXiv 2407.14435, with a rectangle as the kernel.
    """

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx, pre, threshold):
            ctx.save_for_backward(pre, threshold)
            return (pre > threshold).to(pre)

        @staticmethod
        def backward(ctx, grad):
            pre, threshold = ctx.saved_tensors
            near = (pre - threshold).abs() < bandwidth / 2
            return None, -(grad * near / bandwidth).sum(0)

    return Step.apply(pre, threshold)


class JumpReLUSAE(SAE):
    """A pre-activation counts where it is above its latent's threshold. Source: arXiv 2407.14435.

    The penalty is the number of active latents (L0); a step has no slope, so near the threshold
    its derivative is taken from a window of width `bandwidth` (a straight-through estimator).
    """

    architecture = "jumprelu"
    step = staticmethod(step)

    @guarded(
        l0=number(low=0), threshold=number(low=0, over=True), bandwidth=number(low=0, over=True)
    )
    def __init__(
        self,
        d_in: int,
        d_sae: int,
        *,
        l0: float = 0.0,
        threshold: float = 0.1,
        bandwidth: float = 0.05,
        generator: torch.Generator | None = None,
    ):
        super().__init__(d_in, d_sae, generator=generator)
        self.l0, self.bandwidth = l0, bandwidth
        self.log_threshold = nn.Parameter(torch.full((d_sae,), threshold).log())

    @property
    def threshold(self) -> Float[Tensor, " d_sae"]:
        """Above it, a latent is active. Always positive."""
        return self.log_threshold.exp()

    def encode(self, x):
        pre = self.pre_acts(x).relu()
        return pre * self._active(pre)

    def penalty(self, x, acts):
        return self.l0 * self._active(self.pre_acts(x).relu()).sum(-1).mean()

    def _active(self, pre: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_sae"]:
        active = self.step(pre.flatten(0, -2), self.threshold, bandwidth=self.bandwidth)
        return active.view_as(pre)

    @torch.no_grad()
    def rescale(self, factor):
        super().rescale(factor)
        self.log_threshold += torch.tensor(factor).log()


class _SparseCode(torch.autograd.Function):
    """The chosen latents' ReLU activations and the sum of their directions, and its gradients.

    `embedding_bag` sums chosen rows without writing them out; sorted by latent, the same call gives
    the gradients of the weights. All that is dense here is an array of the weights' size.
    """

    @staticmethod
    def forward(ctx, x, encoder, b_enc, decoder, chosen):
        values = (_dots(x, encoder, chosen) + b_enc[chosen]).relu()
        ctx.save_for_backward(x, encoder, decoder, chosen, values)
        ctx.mark_non_differentiable(values)
        return F.embedding_bag(chosen, decoder, per_sample_weights=values, mode="sum"), values

    @staticmethod
    def backward(ctx, grad, _):
        x, encoder, decoder, chosen, values = ctx.saved_tensors
        grad_values = _dots(grad, decoder, chosen) * (values > 0)
        grad_x = F.embedding_bag(chosen, encoder, per_sample_weights=grad_values, mode="sum")
        order = chosen.flatten().sort(stable=True).indices
        rows = order // chosen.shape[1]
        counts = torch.bincount(chosen.flatten(), minlength=len(encoder))
        starts = counts.cumsum(0) - counts
        grad_encoder, grad_decoder = (
            F.embedding_bag(
                rows, vectors, starts, per_sample_weights=weights.flatten()[order], mode="sum"
            )
            for vectors, weights in ((x, grad_values), (grad, values))
        )
        grad_b = torch.zeros(len(encoder), dtype=x.dtype, device=x.device)
        grad_b.index_add_(0, chosen.flatten(), grad_values.flatten())
        return grad_x, grad_encoder, grad_b, grad_decoder, None


def _dots(
    x: Float[Tensor, "batch d"], rows: Float[Tensor, "n d"], chosen: Int[Tensor, "batch k"]
) -> Float[Tensor, "batch k"]:
    """x[b] @ rows[chosen[b, i]], as the gradient of the sum that it is the gradient of."""
    weights = torch.zeros(chosen.shape, dtype=x.dtype, device=x.device, requires_grad=True)
    with torch.enable_grad():
        out = F.embedding_bag(chosen, rows.detach(), per_sample_weights=weights, mode="sum")
    return torch.autograd.grad(out, weights, x)[0]


# ---- The SAELens format -------------------------------------------------------------------------

ARCHITECTURES = {kind.architecture: kind for kind in (ReLUSAE, TopKSAE, JumpReLUSAE)}


def save_sae(
    sae: SAE, folder: str | Path, *, dtype: torch.dtype = torch.float32, **metadata
) -> None:
    """Write an SAE as SAELens does: `cfg.json` and `sae_weights.safetensors`.

    The configuration keeps a checksum of the weights. A file is replaced when the new one is whole.

    Args:
        dtype: float16 halves the size; relative errors are then below 1 in 2,000.
        metadata: model_name, hook_name and whatever else users should know.

    Raises:
        ValueError: a weight is not finite, or too large for `dtype`.
    """
    folder = Path(folder)
    names = ["W_enc", "b_enc", "W_dec", "b_dec"]
    names += ["threshold"] * isinstance(sae, JumpReLUSAE)
    weights = {name: getattr(sae, name).detach().to(dtype).cpu().contiguous() for name in names}
    for name, values in weights.items():
        if not values.isfinite().all():
            raise ValueError(
                f"{name} has NaN or infinity in {dtype}: nothing was written. Did the training "
                "diverge, or is a weight above 65,504 to be kept in float16?"
            )
    config = {
        "architecture": sae.architecture,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **sae.settings(),
        "metadata": {"sae_lens_version": "6.0.0", **metadata},
    }
    json.dumps(config)  # what cannot be written is said before anything is
    folder.mkdir(parents=True, exist_ok=True)
    parts = [folder / f"{name}.part" for name in SAE_FILES]
    save_file(weights, parts[1])
    config["metadata"]["crc32"] = _checksum(parts[1])
    parts[0].write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    for part in parts[::-1]:
        part.replace(part.with_suffix(""))


SAE_FILES = "cfg.json", "sae_weights.safetensors"


def _checksum(file: Path) -> str:
    return f"{zlib.crc32(file.read_bytes()):08x}"


def load_sae(folder: str | Path, *, device: str | torch.device = "cpu") -> SAE:
    """Read an SAE that `save_sae` or SAELens 6 wrote; in float32, whatever it was kept in.

    Raises:
        FileNotFoundError: the folder holds no SAE.
        ValueError: it is of a kind that is not one of these three, needs its input changed, or is
            damaged.
    """
    folder = Path(folder)
    for name in SAE_FILES:
        if not (folder / name).exists():
            raise FileNotFoundError(f"No {name} in {folder}: give the folder `save_sae` wrote.")
    damaged = f"{folder} holds a damaged SAE, %s: copy or make it again."
    try:
        config = json.loads((folder / SAE_FILES[0]).read_text(encoding="utf-8"))
        d_in, d_sae, known = config["d_in"], config["d_sae"], config.get("metadata") or {}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(damaged % f"whose {SAE_FILES[0]} cannot be read ({error!r})") from None
    kind = ARCHITECTURES.get(config.get("architecture"))
    if kind is None:
        raise ValueError(
            f"An SAE of kind {config.get('architecture')!r} can not be read here; these can: "
            f"{', '.join(ARCHITECTURES)}, saved by SAELens 6 or later."
        )
    for key in ("normalize_activations", "reshape_activations"):
        if config.get(key, "none") != "none":
            raise ValueError(
                f"This SAE has {key}={config[key]!r}: open it in SAELens, which changes its input."
            )
    if known.get("crc32", found := _checksum(folder / SAE_FILES[1])) != found:
        raise ValueError(damaged % "whose weights are not those that were written")
    try:
        extra = {"k": config["k"]} if kind is TopKSAE else {}
        sae = kind(d_in, d_sae, **extra)
        kept = {name: w.float() for name, w in load_file(folder / SAE_FILES[1]).items()}
        if config.get("rescale_acts_by_decoder_norm"):  # the same, with directions of length 1
            norm = kept["W_dec"].norm(dim=1)
            kept["W_enc"], kept["b_enc"] = kept["W_enc"] * norm, kept["b_enc"] * norm
            kept["W_dec"] = kept["W_dec"] / norm[:, None]
        if not config.get("apply_b_dec_to_input", True):
            kept["b_enc"] = kept["b_enc"] + kept["b_dec"] @ kept["W_enc"]
        if "threshold" in kept:
            kept["log_threshold"] = kept.pop("threshold").log()
        sae.load_state_dict(kept)
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise ValueError(damaged % f"whose two files do not fit ({error!r})") from None
    if any(bool(weight.isnan().any()) for weight in kept.values()):
        raise ValueError(damaged % "whose weights hold NaN")
    return sae.to(device)


# ---- Activations, streamed ----------------------------------------------------------------------


@functools.cache
def bfloat16_is_faster() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32: some do it much slower."""
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 1024, dtype=dtype)
        a @ a.T  # noqa: B018, the first product also sets up
        start = time.perf_counter()
        for _ in range(3):
            a @ a.T  # noqa: B018
        seconds.append(time.perf_counter() - start)
    return seconds[1] < 0.7 * seconds[0]


def _texts_that_fit(rows: Sequence[Tensor], given: Mapping) -> str | None:
    """Texts that the model reads whole, BOS before them."""
    longest, n_ctx = max(map(len, rows)), given["model"].cfg.n_ctx
    if longest + 1 <= n_ctx:
        return None
    return f"has a text of {longest} tokens, and this model reads {n_ctx} with BOS: cut it"


@guarded(
    model=evaluating,
    rows=(filled, _texts_that_fit),
    layer=layer_of(),
    batch_tokens=count(),
)
@torch.no_grad()
def harvest(
    model,
    rows: Sequence[Int[Tensor, " _"]],
    *,
    layer: int,
    batch_tokens: int = 4096,
    bfloat16: bool = False,
) -> Float[Tensor, "token d_model"]:
    """The residual stream before block `layer` at every token of the texts, in order, on the CPU.

    BOS is put before each text and its own vector, which is unlike all others, left out. Only the
    blocks below the layer run, on the bare model, texts of like length side by side.

    Args:
        rows: token ids of each text, without BOS.
        batch_tokens: how many tokens run at once, about.
        bfloat16: multiply in bfloat16 (the residual stream itself stays float32).

    Raises:
        ValueError: there is no such layer, no text, or one too long; or the model is training.
    """
    runnable = _blocks_below(model, layer)
    device, bos = model.cfg.device, model.tokenizer.bos_token_id
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    fast = torch.autocast(torch.device(device).type, torch.bfloat16) if bfloat16 else nullcontext()
    with fast:
        while by_length:
            n = max(1, batch_tokens // (1 + len(rows[by_length[-1]])))
            chosen, by_length = by_length[-n:], by_length[:-n]
            tokens = nn.utils.rnn.pad_sequence([rows[i].long() for i in chosen], batch_first=True)
            tokens = F.pad(tokens, (1, 0), value=bos).to(device)
            resid = runnable(input_ids=tokens, use_cache=False).last_hidden_state[:, 1:].cpu()
            for i, each in zip(chosen, resid, strict=True):
                found[i] = each[: len(rows[i])].float()
    return torch.cat(found)


@guarded(x=(filled, finite), times=number(low=1))
def without_sinks(
    x: Float[Tensor, "token d_in"], *, times: float = 3.0
) -> Float[Tensor, "few d_in"]:
    """The vectors that are at most `times` as long as the median one.

    Besides BOS, a few first words (one token in ten thousand) get vectors up to a hundred times as
    long as the others, at which later tokens can look when they look for nothing. They would be
    most of the variance, and one direction explains them.
    """
    lengths = x.float().norm(dim=1)
    return x[lengths <= times * lengths.median()]


def _blocks_below(model, layer: int) -> nn.Module:
    """A bare model, on the same weights, whose output is the stream before block `layer`."""
    names = {part: model.adapter.component_mapping[part].name for part in ("blocks", "ln_final")}
    plain = bare_model(model)
    blocks = plain.get_submodule(names["blocks"])[:layer]
    for name, module in ((names["blocks"], blocks), (names["ln_final"], nn.Identity())):
        parent, _, leaf = name.rpartition(".")
        setattr(plain.get_submodule(parent), leaf, module)
    plain.config.num_hidden_layers = layer
    return plain.base_model


HARVESTED = 20_000  # about how many tokens a harvest has while a chunk is filled


class Activations:
    """Batches of a model's activations, harvested when they are needed.

    `activations[step]` depends on the arguments and the step alone, so that a training that was
    killed can go on from any step. Never more than `budget` bytes are held, and some 20,000
    vectors in float32 while a chunk is filled: texts in a random order, another in every epoch, are
    taken in chunks of that size; the vectors of a chunk are shuffled. If all texts fit, they are
    harvested once. Vectors that `without_sinks` leaves out are left out.
    """

    @guarded(rows=filled, d_in=count(), batch_size=count(), budget=count())
    def __init__(
        self,
        harvest: Callable[[list[Int[Tensor, " _"]]], Float[Tensor, "token d_in"]],
        rows: Sequence[Int[Tensor, " _"]],
        *,
        d_in: int,
        batch_size: int = 2048,
        budget: int = 2**30,
        seed: int = 0,
    ):
        """
        Args:
            harvest: gives the vectors of some texts, as `harvest` above with all else filled in.
            rows: token ids of each text, without BOS.
            batch_size: vectors a step.
            budget: bytes, at two for each number.
            seed: every epoch and every chunk draws from a generator of its own, made from this
                number and its own, so that a step can be asked for without those before it.

        Raises:
            ValueError: the texts, or the budget, do not make one batch.
        """
        self.harvest, self.rows, self.d_in = harvest, list(rows), d_in
        self.batch_size, self.seed = batch_size, seed
        self.chunk_size = budget // (2 * d_in)
        longest = max(len(row) for row in self.rows)
        if min(self.chunk_size - longest, sum(map(len, self.rows))) < batch_size:
            raise ValueError(
                f"There is no batch of {batch_size} vectors in these texts and {budget} bytes: "
                "give more of them, or a smaller batch."
            )
        self._held: tuple[tuple, Tensor] | None = None  # which texts, and their vectors
        self._shuffled: tuple[int, Tensor] | None = None  # which chunk, and its order
        self._plan: list[tuple[int, list[int]]] = []  # for each chunk its first step and its texts
        self._epochs = self._steps = 0  # how many are planned

    def _plan_epoch(self) -> None:
        """Add the chunks of the next epoch, its texts in an order of their own."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self._epochs)
        texts, size = [], 0
        for i in [*torch.randperm(len(self.rows), generator=generator).tolist(), None]:
            if i is None or size + len(self.rows[i]) > self.chunk_size:
                self._plan.append((self._steps, texts))
                self._steps += size // self.batch_size
                texts, size = [], 0
            if i is not None:
                texts.append(i)
                size += len(self.rows[i])
        self._epochs += 1

    def _vectors(self, texts: list[int]) -> Float[Tensor, "token d_in"]:
        key = tuple(sorted(texts))
        if self._held is None or self._held[0] != key:
            self._held = None  # let go of the old ones first
            size = sum(len(self.rows[i]) for i in key)
            held, filled = torch.empty(size, self.d_in, dtype=torch.float16), 0
            for part in self._parts(key):
                found = without_sinks(self._harvested(part))
                held[filled : filled + len(found)] = found
                filled += len(found)
            if not held[:filled].isfinite().all():
                raise ValueError(
                    "Some activations are above 65,504, more than half precision holds: divide "
                    "what `harvest` gives by their usual length."
                )
            self._held = key, held[:filled]
        return self._held[1]

    def _harvested(self, part: list[Int[Tensor, " _"]]) -> Float[Tensor, "token d_in"]:
        found, wanted = self.harvest(part), (sum(map(len, part)), self.d_in)
        if tuple(found.shape) != wanted:
            raise ValueError(
                f"`harvest` gave {tuple(found.shape)} for texts of {wanted[0]} tokens: it has to "
                f"give a vector of `d_in`, {wanted[1]}, for each token, and none for BOS."
            )
        return found

    def _parts(self, texts: Sequence[int]) -> Iterator[list[Int[Tensor, " _"]]]:
        """The texts in parts of some ten thousand tokens: harvests are float32 and take room."""
        part: list[Tensor] = []
        for i in texts:
            part.append(self.rows[i])
            if sum(map(len, part)) >= HARVESTED:
                yield part
                part = []
        if part:
            yield part

    @functools.cached_property
    def _first(self) -> Float[Tensor, "token d_in"]:
        """Some ten thousand vectors of the first chunk, to learn mean and scale from."""
        if not self._plan:
            self._plan_epoch()
        vectors = self._vectors(self._plan[0][1])
        return vectors[:: 1 + len(vectors) // 10_000].float()

    @property
    def mean(self) -> Float[Tensor, " d_in"]:
        """The mean vector."""
        return self._first.mean(0)

    @property
    def scale(self) -> float:
        """The root of the mean squared distance of a vector from the mean."""
        return (self._first - self.mean).square().sum(1).mean().sqrt().item()

    @guarded(step=count(low=0))
    def __getitem__(self, step: int) -> Float[Tensor, "batch d_in"]:
        while step >= self._steps:
            self._plan_epoch()
        number = bisect.bisect_right(self._plan, step, key=lambda chunk: chunk[0]) - 1
        first, texts = self._plan[number]
        vectors = self._vectors(texts)
        order = self._order(number, len(vectors))
        chosen = torch.arange(self.batch_size) + (step - first) * self.batch_size
        chosen = chosen % len(vectors)  # a few too many, where sinks were left out
        return vectors[order[chosen]].float()

    def _order(self, number: int, n: int) -> Int[Tensor, " n"]:
        """The order of a chunk's vectors."""
        if self._shuffled is None or self._shuffled[0] != number:
            generator = torch.Generator().manual_seed(1_000_003 * self.seed + 500_000 + number)
            self._shuffled = number, torch.randperm(n, generator=generator)
        return self._shuffled[1]


# ---- Training -----------------------------------------------------------------------------------


class Training:
    """Adam on batches that are handed over one by one; directions keep length 1.

    All that changes in a training is here, and in the SAE: a recipe can keep it and go on from it.

    Attributes:
        optimizer: Adam, with the learning rate of the last step.
        silent: [d_sae], steps since each latent fired.
        losses: of the steps that were done.
    """

    @guarded(
        steps=count(low=0),
        lr=number(low=0),
        warmup=number(low=0),
        fall=number(low=0, high=1),
        scale=number(low=0, over=True),
        dead_after=count(),
    )
    def __init__(
        self,
        sae: SAE,
        *,
        steps: int,
        lr: float = 1e-3,
        warmup: int = 50,
        fall: float = 0.3,
        scale: float = 1.0,
        dead_after: int = 200,
    ):
        """
        Args:
            steps: how many there will be.
            lr: Adam's highest learning rate, reached after `warmup` steps; over the last `fall` of
                the steps it goes down to 0.
            scale: vectors are divided by it. `SAE.rescale` makes the SAE one for whole vectors.
            dead_after: a latent that has not fired for so many steps is dead (for TopK's `aux`).
        """
        self.sae, self.steps, self.lr, self.warmup, self.fall = sae, steps, lr, warmup, fall
        self.scale, self.dead_after = scale, dead_after
        device = sae.W_dec.device
        self.optimizer = torch.optim.Adam(
            sae.parameters(), lr=lr, betas=(0.9, 0.999), fused=device.type in ("cpu", "cuda")
        )
        self.silent = torch.zeros(sae.d_sae, dtype=torch.long, device=device)
        self.losses: list[float] = []

    @property
    def dead(self) -> Bool[Tensor, " d_sae"]:
        """Which latents have long not fired."""
        return self.silent >= self.dead_after

    def step(self, x: Float[Tensor, "batch d_in"]) -> None:
        """Take the next step, on some vectors.

        Raises:
            ValueError: all steps are done, or the loss is not finite; the SAE is as it was.
        """
        sae, step = self.sae, len(self.losses)
        if step >= self.steps:
            raise ValueError(f"All {self.steps} steps are done: begin another `Training`.")
        rising = (step + 1) / max(self.warmup, 1)
        falling = (self.steps - step) / max(self.fall * self.steps, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * min(rising, falling, 1.0)
        loss, fired = sae.loss(x.to(self.silent.device) / self.scale, dead=self.dead)
        if not math.isfinite(value := loss.item()):
            raise ValueError(
                f"The loss of step {step} is {value}: look for NaN among the vectors, or take a "
                "smaller `lr`."
            )
        self.optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            along = (sae.W_dec.grad * sae.W_dec).sum(1, keepdim=True)
            sae.W_dec.grad -= along * sae.W_dec
            self.optimizer.step()
            sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
        self.silent = torch.where(fired, 0, self.silent + 1)
        self.losses.append(value)


def train(
    sae: SAE,
    batches: Callable[[int], Float[Tensor, "batch d_in"]],
    *,
    steps: int,
    scale: float = 1.0,
    **how,
) -> Float[Tensor, " steps"]:
    """Train on batches that are asked for by number.

    Args:
        batches: gives the vectors of a step; `Activations.__getitem__`, or any function.
        scale: vectors are divided by it, and the SAE is made one for whole vectors at the end.
        how: the other arguments of `Training`.

    Returns:
        The loss at each step.
    """
    training = Training(sae, steps=steps, scale=scale, **how)
    for step in range(steps):
        training.step(batches(step))
    sae.rescale(scale)
    return torch.tensor(training.losses)


# ---- How good is it? ----------------------------------------------------------------------------


class Quality(NamedTuple):
    """What a dictionary does on vectors that it was not trained on.

    Attributes:
        l0: active latents a vector.
        explained: the share of variance that the reconstruction explains, 1 - FVU.
        dead: the share of latents that never fire on these vectors.
        density: for each latent, the share of the vectors on which it fires.
    """

    l0: float
    explained: float
    dead: float
    density: Float[Tensor, " d_sae"]


@guarded(x=(axes(2), floating, finite, as_wide_as("sae"), varies), batch_size=count())
@torch.no_grad()
def quality(sae: SAE, x: Float[Tensor, "n d_in"], *, batch_size: int = 2048) -> Quality:
    """L0, variance explained, dead latents and density over some vectors.

    Raises:
        ValueError: the vectors do not vary, are not finite, or are of another size.
    """
    fires = torch.zeros(sae.d_sae)
    left = 0.0
    for part in x.split(batch_size):
        part = part.to(sae.W_dec)
        acts = sae.encode(part)
        fires += (acts > 0).sum(0).cpu()
        left += (sae.decode(acts) - part).square().sum().item()
    x = x.float()  # squares overflow in half precision
    total = (x - x.mean(0)).square().sum().item()
    density = fires / len(x)
    return Quality(
        density.sum().item(), 1 - left / total, (density == 0).float().mean().item(), density
    )


def _of_one_token(rows: Sequence[Tensor], _: Mapping) -> str | None:
    return None if all(map(len, rows)) else "has an empty text, which has no loss: leave it out"


def _not_clean(stand_ins: Mapping, _: Mapping) -> str | None:
    if "clean" not in stand_ins:
        return None
    return 'has one called "clean", the name of the loss with nothing changed: give it another'


@torch.no_grad()
def spliced_loss(
    model,
    rows: Sequence[Int[Tensor, " _"]],
    stand_in: Callable[[Float[Tensor, "pos d_model"]], Float[Tensor, "pos d_model"]],
    *,
    layer: int,
) -> Float[Tensor, " text"]:
    """Each text's mean loss in nats a token, with a stand-in for the stream before a block.

    Args:
        rows: token ids of each text, without BOS, which the model needs before them.
        stand_in: maps a text's vectors, BOS's aside, to others. The vector of BOS stays.
        layer: the block that reads the result.
    """
    bos = torch.tensor([model.tokenizer.bos_token_id])

    def splice(resid, hook):
        changed = stand_in(resid[0, 1:]).to(resid)
        return torch.cat([resid[:, :1], changed[None]], dim=1)

    losses = []
    for row in rows:
        tokens = torch.cat([bos, row.cpu().long()])[None].to(model.cfg.device)
        with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", splice)]):
            logits = model(tokens)
        losses.append(F.cross_entropy(logits[0, :-1], tokens[0, 1:]))
    return torch.stack(losses).cpu()


@guarded(
    model=evaluating,
    rows=(filled, _of_one_token, _texts_that_fit),
    stand_ins=_not_clean,
    layer=layer_of(end=False),
)
def losses_with(
    model,
    rows: Sequence[Int[Tensor, " _"]],
    stand_ins: Mapping[str, Callable[[Float[Tensor, "n d_model"]], Float[Tensor, "n d_model"]]],
    *,
    layer: int,
    loss: Callable[..., Float[Tensor, " text"]] = spliced_loss,
) -> dict[str, Float[Tensor, " text"]]:
    """`spliced_loss` of each stand-in, by name, and as "clean" that with nothing changed.

    Args:
        loss: `spliced_loss`, or a function of the same arguments.
    """
    each = {"clean": lambda x: x, **stand_ins}
    return {name: loss(model, rows, change, layer=layer) for name, change in each.items()}


def _costs_something(ablated: Tensor, given: Mapping) -> str | None:
    if ablated.mean() != given["clean"].mean():
        return None
    return "has the mean loss of `clean`: an ablation that costs nothing sets no scale"


@guarded(
    clean=(filled, finite),
    replaced=(as_long_as("clean"), finite),
    ablated=(as_long_as("clean"), finite, _costs_something),
)
def loss_recovered(
    replaced: Float[Tensor, " text"],
    *,
    clean: Float[Tensor, " text"],
    ablated: Float[Tensor, " text"],
) -> float:
    """How much of the loss that an ablation costs a reconstruction saves: 1 is all of it, 0 none.

    Losses are averaged over texts before anything is divided.

    Args:
        replaced: each text's loss with the reconstruction, in nats a token.
        clean: with nothing changed.
        ablated: with the ablation: zeros, say, or the mean vector.
    """
    cost = ablated.mean() - clean.mean()
    return ((ablated.mean() - replaced.mean()) / cost).item()


# ---- Controls -----------------------------------------------------------------------------------


@guarded(x=(axes(2), precise, finite, varies), n_components=(count(), at_most("x", 1)))
def pca(
    x: Float[Tensor, "n d_in"], n_components: int
) -> Callable[[Float[Tensor, "m d_in"]], Float[Tensor, "m d_in"]]:
    """A reconstruction from the directions of most variance, the same ones for every vector."""
    mean = x.mean(0)
    axes = torch.linalg.eigh((x - mean).T @ (x - mean)).eigenvectors[:, -n_components:]

    def reconstruct(vectors):
        basis, centre = axes.to(vectors), mean.to(vectors)
        return (vectors - centre) @ basis @ basis.T + centre

    return reconstruct


def _enough_directions(k: int, given: Mapping) -> str | None:
    return None if k <= given["d_sae"] else f"is {k}, and there are {given['d_sae']} directions"


def _enough_vectors(of_vectors: bool, given: Mapping) -> str | None:
    n, wanted = len(given["x"]), given["d_sae"]
    if not of_vectors or n >= wanted:
        return None
    return f"needs a vector for each direction: `x` has {n}, and `d_sae` is {wanted}"


_untrained_guards = {
    "x": (axes(2), precise, finite, filled),
    "d_sae": count(),
    "k": (count(), _enough_directions),
    "of_vectors": _enough_vectors,
}


@guarded(**_untrained_guards)
def random_dictionary(
    x: Float[Tensor, "n d_in"],
    d_sae: int,
    *,
    k: int,
    of_vectors: bool = False,
    generator: torch.Generator | None = None,
) -> Callable[[Float[Tensor, "m d_in"]], Float[Tensor, "m d_in"]]:
    """A reconstruction from k of `d_sae` directions that nobody trained.

    For each vector the k directions are chosen whose products with it are largest in size; their
    weights are the best there are for these k (least squares, of either sign).

    Args:
        of_vectors: draw the directions from the vectors themselves (at least d_sae of them), taken
            from their mean, instead of from all directions alike: a harder control.
        generator: of the directions; without one, they are the same each time.
    """
    mean, drawn = x.mean(0), _untrained(x, d_sae, of_vectors=of_vectors, generator=generator)

    def reconstruct(vectors):
        directions, centred = drawn.to(vectors), vectors - mean.to(vectors)
        out = torch.empty_like(centred)
        for start in range(0, len(centred), 512):
            part = centred[start : start + 512]
            chosen = directions[_likeliest(part, directions, k)]  # [batch k d_in]
            weights = torch.linalg.lstsq(chosen.mT, part[..., None]).solution
            out[start : start + 512] = (weights.mT @ chosen)[:, 0]
        return out + mean.to(vectors)

    return reconstruct


def _untrained(
    x: Float[Tensor, "n d_in"], d_sae: int, *, of_vectors: bool, generator: torch.Generator | None
) -> Float[Tensor, "d_sae d_in"]:
    generator = generator or torch.Generator().manual_seed(0)
    if of_vectors:
        return F.normalize(x[torch.randperm(len(x), generator=generator)[:d_sae]] - x.mean(0))
    return F.normalize(torch.randn(d_sae, x.shape[1], generator=generator))


def _likeliest(
    centred: Float[Tensor, "n d_in"], directions: Float[Tensor, "d_sae d_in"], k: int
) -> Int[Tensor, "n k"]:
    """The k directions whose products with the vector are largest in size."""
    return (centred @ directions.T).abs().topk(k).indices
