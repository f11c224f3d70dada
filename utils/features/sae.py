"""Sparse autoencoders: four kinds, their file format, scores and controls.

An SAE writes a vector as a bias plus a sum of few of its `d_sae` directions:
`acts = f((x - b_dec) @ W_enc + b_enc)`, `x_hat = acts @ W_dec + b_dec`. Layer L means
`resid_pre L`, the residual stream before block L.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
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
            x: scaled so that its mean squared distance from its mean is 1, the squared error is the
                share of variance left unexplained.
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


class TopKSAE(SAE):
    """The k largest pre-activations of each vector, those above 0. Source: arXiv 2406.04093."""

    architecture = "topk"

    @guarded(k=(count(), _at_most_d_sae), aux=number(low=0))
    def __init__(
        self,
        d_in: int,
        d_sae: int,
        *,
        k: int,
        aux: float = 1 / 32,
        generator: torch.Generator | None = None,
    ):
        """
        Args:
            aux: weight of the auxiliary loss by which dead latents learn to explain the error.
        """
        super().__init__(d_in, d_sae, generator=generator)
        self.k, self.aux = k, aux

    def encode(self, x):
        values, indices = self.pre_acts(x).topk(self.k, dim=-1, sorted=False)
        empty = torch.zeros(*x.shape[:-1], self.d_sae, dtype=values.dtype, device=x.device)
        return empty.scatter(-1, indices, values.relu())

    def loss(self, x, *, dead=None):
        acts, centred = self.encode(x), self.centred(x)
        error = centred - acts @ self.W_dec
        loss = error.square().sum(-1).mean()
        if self.aux and dead is not None and dead.any():
            loss = loss + self.aux * self._dead_loss(centred.detach(), error.detach(), dead)
        return loss, (acts > 0).any(0)

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


# ---- Activations --------------------------------------------------------------------------------


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
) -> Float[Tensor, "token d_model"]:
    """The residual stream before block `layer` at every token of the texts, in order, on the CPU.

    BOS is put before each text and its own vector, which is unlike all others, left out. Only the
    blocks below the layer run, on the bare model, texts of like length side by side.

    Args:
        rows: token ids of each text, without BOS.
        batch_tokens: how many tokens run at once, about.

    Raises:
        ValueError: there is no such layer, no text, or one too long; or the model is training.
    """
    runnable = blocks_below(model, layer)
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    for chosen, tokens in like_lengths(model, rows, batch_tokens=batch_tokens):
        resid = runnable(input_ids=tokens, use_cache=False).last_hidden_state[:, 1:].cpu()
        for i, each in zip(chosen, resid, strict=True):
            found[i] = each[: len(rows[i])].float()
    return torch.cat(found)


def like_lengths(
    model, rows: Sequence[Int[Tensor, " _"]], *, batch_tokens: int
) -> Iterator[tuple[list[int], Int[Tensor, "batch pos"]]]:
    """Texts of like length side by side, BOS before each: which they are, and their tokens."""
    device, bos = model.cfg.device, model.tokenizer.bos_token_id
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    while by_length:
        n = max(1, batch_tokens // (1 + len(rows[by_length[-1]])))
        chosen, by_length = by_length[-n:], by_length[:-n]
        tokens = nn.utils.rnn.pad_sequence([rows[i].long() for i in chosen], batch_first=True)
        yield chosen, F.pad(tokens, (1, 0), value=bos).to(device)


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


def blocks_below(model, layer: int) -> nn.Module:
    """A bare model, on the same weights, whose output is the stream before block `layer`."""
    names = {part: model.adapter.component_mapping[part].name for part in ("blocks", "ln_final")}
    plain = bare_model(model)
    blocks = plain.get_submodule(names["blocks"])[:layer]
    for name, module in ((names["blocks"], blocks), (names["ln_final"], nn.Identity())):
        parent, _, leaf = name.rpartition(".")
        setattr(plain.get_submodule(parent), leaf, module)
    plain.config.num_hidden_layers = layer
    return plain.base_model


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
