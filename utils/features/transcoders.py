"""Transcoders: sparse stand-ins for an MLP, which read what it reads and write what it writes.

A transcoder writes the MLP's output as a bias plus a sum of few of its latents' directions:
`acts = topk(x @ W_enc + b_enc)`, `y_hat = acts @ W_dec + b_dec`, and with a skip `+ x @ W_skip`.
Sources: arXiv 2406.11944; with a skip, arXiv 2501.18823.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from utils.features import sae as saes
from utils.guards import count, evaluating, filled, guarded, layer_of


class Transcoder(nn.Module):
    """A TopK transcoder.

    Attributes:
        W_enc: [d_in, d_latent], what a latent reads; b_enc: [d_latent].
        W_dec: [d_latent, d_out], what it writes; b_dec: [d_out].
        W_skip: [d_in, d_out], or None without a skip connection.
        k: at most so many latents are active for a vector.
    """

    @guarded(d_in=count(), d_latent=count(), d_out=count(), k=count())
    def __init__(
        self,
        d_in: int,
        d_latent: int,
        d_out: int,
        *,
        k: int,
        skip: bool = False,
        generator: torch.Generator | None = None,
    ):
        """Random directions to read, and nothing written yet.

        Args:
            generator: of the directions; without one, they are the same each time.
        """
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        drawn = nn.functional.normalize(torch.randn(d_latent, d_in, generator=generator))
        self.W_enc = nn.Parameter(drawn.T)
        self.b_enc = nn.Parameter(torch.zeros(d_latent))
        self.W_dec = nn.Parameter(torch.zeros(d_latent, d_out))
        self.b_dec = nn.Parameter(torch.zeros(d_out))
        self.W_skip = nn.Parameter(torch.zeros(d_in, d_out)) if skip else None
        self.k = k

    def pre_acts(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_latent"]:
        """What the encoder says of each latent.

        Raises:
            ValueError: the vectors are of another size.
        """
        if x.shape[-1] != self.W_enc.shape[0]:
            raise ValueError(
                f"`x` has vectors of {x.shape[-1]} numbers, and this transcoder reads vectors of "
                f"{self.W_enc.shape[0]}: give what its MLP reads."
            )
        return x @ self.W_enc + self.b_enc

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_latent"]:
        """How active each latent is: the k largest, those of them above 0, and 0 elsewhere."""
        values, at = self.pre_acts(x).topk(self.k, dim=-1, sorted=False)
        empty = x.new_zeros(*x.shape[:-1], len(self.b_enc))
        return empty.scatter(-1, at, values.relu())

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """What stands for the MLP's output."""
        out = self.encode(x) @ self.W_dec + self.b_dec
        return out if self.W_skip is None else out + x @ self.W_skip


FILE = "transcoder.safetensors"


ROWS = {"W_enc": 1, "W_dec": 0}  # kept as whole numbers up to 127, a scale for each latent


def save_transcoder(transcoder: Transcoder, folder: str | Path, **metadata) -> None:
    """Write a transcoder into a folder: a byte for each weight of a latent, the rest in float16.

    Args:
        metadata: what users should know; it must fit JSON.

    Raises:
        ValueError: a weight is not finite.
    """
    kept = {}
    for name, weight in transcoder.state_dict().items():
        if not weight.isfinite().all():
            raise ValueError(f"{name} has NaN or infinity: nothing was written.")
        if name in ROWS:
            scale = weight.abs().amax(1 - ROWS[name], keepdim=True).clamp(min=1e-12) / 127
            kept[f"{name}.scale"], weight = scale, (weight / scale).round()
        to = torch.int8 if name in ROWS else torch.float16
        kept[name] = weight.to("cpu", to).contiguous()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.part"
    save_file(kept, part, metadata={"about": json.dumps({"k": transcoder.k, **metadata})})
    part.replace(folder / FILE)


def load_transcoder(folder: str | Path, *, device: str | torch.device = "cpu") -> Transcoder:
    """Read what `save_transcoder` wrote; in float32, without gradients.

    Raises:
        FileNotFoundError: the folder holds no transcoder.
        ValueError: it is damaged.
    """
    file = Path(folder) / FILE
    if not file.exists():
        raise FileNotFoundError(f"No {FILE} in {folder}: give a folder of data/transcoders.")
    try:
        with safe_open(file, "pt") as opened:
            k = json.loads(opened.metadata()["about"])["k"]
        weights = {name: weight.float() for name, weight in load_file(file).items()}
        for name in ROWS:
            weights[name] = weights[name] * weights.pop(f"{name}.scale")
        sizes = (*weights["W_enc"].shape, weights["W_dec"].shape[1])
        transcoder = Transcoder(*sizes, k=k, skip="W_skip" in weights)
        transcoder.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{file} is damaged ({error!r}): copy or make it again.") from None
    return transcoder.to(device).requires_grad_(False)


class Passed(NamedTuple):
    """What went through an MLP, a row a token.

    Attributes:
        x: what it read, after the norm, [token, d_model].
        y: what it wrote, [token, d_model].
    """

    x: Float[Tensor, "token d_model"]
    y: Float[Tensor, "token d_model"]


@guarded(model=evaluating, rows=filled, layer=layer_of(end=False), batch_tokens=count())
@torch.no_grad()
def harvest_mlp(
    model, rows: Sequence[Int[Tensor, " _"]], *, layer: int, batch_tokens: int = 4096
) -> Passed:
    """What the MLP of block `layer` read and wrote at every token of the texts, on the CPU.

    BOS is put before each text, and its own vectors left out.

    Args:
        rows: token ids of each text, without BOS.
        batch_tokens: how many tokens run at once, about.
    """
    plain, found = saes.blocks_below(model, layer + 1), []
    names = model.adapter.component_mapping
    path = f"{names['blocks'].name}.{layer}.{names['blocks'].submodules['mlp'].name}"
    mlp = next(part for name, part in plain.named_modules() if path.endswith(name) and name)
    out: list[list[Tensor]] = [[torch.empty(0), torch.empty(0)] for _ in rows]
    kept = mlp.register_forward_hook(lambda _, given, made: found.append((given[0], made)))
    try:
        for chosen, tokens in saes.like_lengths(model, rows, batch_tokens=batch_tokens):
            plain(input_ids=tokens, use_cache=False)
            both = [part[:, 1:].float().cpu() for part in found.pop()]
            for n, i in enumerate(chosen):
                out[i] = [part[n, : len(rows[i])] for part in both]
    finally:
        kept.remove()
    return Passed(*(torch.cat(parts) for parts in zip(*out, strict=True)))


@torch.no_grad()
def mlp_spliced_loss(
    model,
    tokens: Int[Tensor, "one pos"],
    stand_in: Callable[[Float[Tensor, "pos d_model"], Float[Tensor, "pos d_model"]], Tensor],
    *,
    layer: int,
) -> float:
    """The mean loss in nats a token of one text, with a stand-in for one MLP.

    The MLP of block `layer` reads `blocks.L.mlp.hook_in` and writes `blocks.L.hook_mlp_out`. At
    every position but the first, which is BOS, it writes what the stand-in gives instead.

    Args:
        tokens: the text, BOS first.
        stand_in: `stand_in(x, y)` gives [pos, d_model], from what the MLP reads and what it writes
            at the positions after BOS.
    """
    read = {}

    def keep(x, hook):
        read["x"] = x[0, 1:]

    def put(y, hook):
        return torch.cat([y[:, :1], stand_in(read["x"], y[0, 1:])[None]], dim=1)

    hooks = [(f"blocks.{layer}.mlp.hook_in", keep), (f"blocks.{layer}.hook_mlp_out", put)]
    with model.hooks(fwd_hooks=hooks):
        logits = model(tokens)
    return torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:]).item()


@guarded(model=evaluating, rows=filled, layer=layer_of(end=False))
def losses_with_mlp(
    model,
    rows: Sequence[Int[Tensor, " _"]],
    stand_ins: Mapping[str, Callable[[Tensor, Tensor], Float[Tensor, "token d_model"]]],
    *,
    layer: int,
    loss: Callable[..., float] = mlp_spliced_loss,
) -> dict[str, Float[Tensor, " text"]]:
    """`mlp_spliced_loss` of each text and stand-in, by name, and as "clean" that of the MLP itself.

    Args:
        rows: token ids of each text, without BOS.
        loss: `mlp_spliced_loss`, or a function of the same arguments.
    """
    bos = torch.tensor([model.tokenizer.bos_token_id])
    whole = [torch.cat([bos, row.cpu().long()])[None].to(model.cfg.device) for row in rows]
    each = {"clean": lambda x, y: y, **stand_ins}
    return {
        name: torch.tensor([loss(model, tokens, change, layer=layer) for tokens in whole])
        for name, change in each.items()
    }


@guarded(d_latent=count(), k=count())
@torch.no_grad()
def random_transcoder(
    x: Float[Tensor, "token d_in"],
    y: Float[Tensor, "token d_out"],
    d_latent: int,
    *,
    k: int,
    generator: torch.Generator | None = None,
) -> Transcoder:
    """A control: latents that read random directions, and what they write by least squares.

    The encoder is drawn, its bias such that the mean input gives 0; the decoder's bias is the mean
    output, and its rows are those of the least squared error on (x, y), with a ridge of 1.

    Args:
        generator: of the directions; without one, they are the same each time.
    """
    out = Transcoder(x.shape[1], d_latent, y.shape[1], k=k, generator=generator)
    out.requires_grad_(False)
    out.b_enc.copy_(-x.mean(0) @ out.W_enc)
    out.b_dec.copy_(y.mean(0))
    gram, to = torch.eye(d_latent), torch.zeros(d_latent, y.shape[1])
    for a, b in zip(x.split(4096), y.split(4096), strict=True):
        acts = out.encode(a)
        gram, to = gram + acts.T @ acts, to + acts.T @ (b - out.b_dec)
    out.W_dec.copy_(torch.linalg.solve(gram, to))
    return out
