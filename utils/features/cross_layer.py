"""Transcoders of one layer and across layers, on a toy whose mechanism is known.

The toy reads a, b, c, d and computes (a XOR b) AND (c XOR d) in two MLP layers on one residual
stream: A, the inputs, make B, both XORs, in layer 0, and B makes C, the AND, in layer 1. A
*per-layer transcoder* (PLT) has features that write to their own layer's output. In a *cross-layer
transcoder* (CLT) a feature reads at one layer and writes to the outputs of that layer and all
later ones. Many are trained at once: tensors may begin with axes [*model].

Sources: CLT, Ameisen et al. (2025), Circuit tracing, transformer-circuits.pub; the question, Lange,
Dearstyne and Maher (2026), openreview.net/forum?id=8sE1yCPnbR. The data of the toy in their code
(github.com/Goreg12345/crosslayer-transcoder) have the same function and the joint norm; features
there have a JumpReLU, and the penalty a tanh.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.features.guards import between
from utils.guards import axes, count, filled, finite, guarded

STREAM = ("a", "b", "c", "d", "a XOR b", "c XOR d", "AND")
Decoders = Mapping[tuple[int, int], Float[Tensor, "*model _ d_stream"]]  # latents differ by layer
PER_LAYER = ((0, 0), (1, 1))
CROSS_LAYER = ((0, 0), (0, 1), (1, 1))


# ---- The network --------------------------------------------------------------------------------


class Layer(NamedTuple):
    """One MLP: it adds `relu(x @ W_in + b_in) @ W_out` to the stream."""

    W_in: Float[Tensor, "d_stream neuron"]
    b_in: Float[Tensor, " neuron"]
    W_out: Float[Tensor, "neuron d_stream"]


def boolean_network() -> tuple[Layer, Layer]:
    """Both layers of the toy, with weights set by hand. The stream's axes are `STREAM`."""
    first = Layer(torch.zeros(7, 4), -torch.ones(4), torch.zeros(4, 7))
    for neuron, (one, other, to) in enumerate([(0, 1, 4), (1, 0, 4), (2, 3, 5), (3, 2, 5)]):
        first.W_in[one, neuron], first.W_in[other, neuron] = 1, -1
        first.W_out[neuron, to] = 1
    second = Layer(torch.zeros(7, 1), -torch.ones(1), torch.zeros(1, 7))
    second.W_in[4:6, 0], second.W_out[0, 6] = 1, 1
    return first, second


def truth_table() -> Float[Tensor, "input d_stream"]:
    """The stream at the start for all 16 inputs: four signs, then zeros."""
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4)))
    return torch.cat([signs, torch.zeros(16, 3)], 1)


@guarded(layers=filled, start=(axes(2), finite))
def run_network(
    layers: Sequence[Layer],
    start: Float[Tensor, "input d_stream"],
    *,
    ablate: Sequence[int] = (),
) -> tuple[list[Float[Tensor, "input d_stream"]], list[Float[Tensor, "input d_stream"]]]:
    """What each layer reads, and what it writes.

    Args:
        ablate: layers whose output is set to 0.
    """
    stream, reads, writes = start, [], []
    for number, layer in enumerate(layers):
        written = (stream @ layer.W_in + layer.b_in).relu() @ layer.W_out
        reads.append(stream)
        writes.append(torch.zeros_like(written) if number in ablate else written)
        stream = stream + writes[-1]
    return reads, writes


# ---- Transcoders --------------------------------------------------------------------------------


class Replacement(NamedTuple):
    """A PLT or CLT of all layers, or many of them.

    Attributes:
        W_enc: for each layer what its features read, [*model, d_stream, latent].
        b_enc: for each layer, [*model, latent].
        decoders: (reads at, writes to) -> [*model, latent, d_stream].
        biases: for each layer what is added to its output, [*model, d_stream].
    """

    W_enc: list[Tensor]
    b_enc: list[Tensor]
    decoders: dict[tuple[int, int], Tensor]
    biases: list[Tensor]

    def encode(
        self, layer: int, x: Float[Tensor, "input d_stream"]
    ) -> Float[Tensor, "*model input latent"]:
        """Activations of a layer's features, where the layer reads x."""
        return (x @ self.W_enc[layer] + self.b_enc[layer][..., None, :]).relu()


def joint_norm(decoders: Decoders, source: int) -> Float[Tensor, "*model latent"]:
    """Of each feature of a layer, the length of all that it writes, laid end to end as one vector.

    Ameisen et al. weight a feature's penalty by it (and then take a tanh, which is left out here).
    """
    parts = [weight for (start, _), weight in decoders.items() if start == source]
    return (torch.cat(parts, -1).square().sum(-1) + 1e-12).sqrt()  # no infinite gradient at 0


def separate_norms(decoders: Decoders, source: int) -> Float[Tensor, "*model latent"]:
    """Of each feature of a layer, the sum of the lengths of what it writes to each layer."""
    parts = [weight for (start, _), weight in decoders.items() if start == source]
    return sum((part.square().sum(-1) + 1e-12).sqrt() for part in parts)


def cross_layer_loss(
    acts: Sequence[Float[Tensor, "*model input _"]],
    decoders: Mapping[tuple[int, int], Float[Tensor, "*model _ d_stream"]],
    biases: Sequence[Float[Tensor, "*model d_stream"]],
    writes: Sequence[Float[Tensor, "input d_stream"]],
    *,
    penalty: Tensor | float,
    norm: Callable[[Mapping, int], Tensor],
) -> Float[Tensor, "*model"]:
    """Squared error at every layer, plus the penalty times every feature's activation and norm.

    What is written to a layer is its bias plus what all features that write there add. Errors are
    summed over the stream and over layers, and penalties over features; both are means over inputs.

    Args:
        acts: for each layer its features' activations, 0 or above.
        decoders: (reads at, writes to) -> directions. A pair that is not there writes nothing.
        biases: for each layer.
        writes: for each layer what the network's MLP writes.
        penalty: how much sparsity counts: one number, or a tensor that broadcasts over [*model].
        norm: `norm(decoders, layer)` gives that layer's weights in the penalty, [*model, latent].
    """
    loss = 0.0
    for target, wanted in enumerate(writes):
        made = biases[target][..., None, :]
        for source in range(target + 1):
            if (source, target) in decoders:
                made = made + acts[source] @ decoders[source, target]
        loss = loss + (made - wanted).square().sum(-1).mean(-1)
    for source, active in enumerate(acts):
        weighted = active * norm(decoders, source)[..., None, :]
        loss = loss + penalty * weighted.sum(-1).mean(-1)
    return loss


@guarded(
    reads=filled,
    writes=filled,
    penalties=(axes(1), filled, between(0)),
    seeds=filled,
    n_latents=count(),
    steps=count(),
)
def train_replacements(
    reads: Sequence[Float[Tensor, "input d_stream"]],
    writes: Sequence[Float[Tensor, "input d_stream"]],
    *,
    pairs: Sequence[tuple[int, int]],
    penalties: Float[Tensor, " penalty"],
    seeds: Sequence[int],
    norm: Callable = joint_norm,
    loss: Callable = cross_layer_loss,
    n_latents: int = 16,
    steps: int = 1200,
) -> Replacement:
    """One for each penalty and seed, [penalty, seed, ...], trained at once on all inputs.

    Encoders start as random unit vectors, decoders small, the same for each penalty. The penalty
    rises from 0 over the first fifth; Adam's learning rate falls from 0.03 to 0 along a cosine.

    Args:
        pairs: (reads at, writes to): `PER_LAYER` or `CROSS_LAYER`.
        loss: `cross_layer_loss`, or a function of the same arguments.

    Raises:
        ValueError: a pair names no layer, or an earlier one than it reads at.
    """
    n = len(reads)
    if not all(0 <= source <= target < n for source, target in pairs) or len(writes) != n:
        raise ValueError(
            f"`pairs` are (reads at, writes to) with 0 <= reads at <= writes to < {n}, and each "
            f"layer needs what it reads and writes; got {list(pairs)} for {n} and {len(writes)}."
        )
    width, generators = reads[0].shape[1], [torch.Generator().manual_seed(s) for s in seeds]

    def drawn(*size: int) -> Tensor:
        each = torch.stack([torch.randn(size, generator=g) for g in generators])
        return each.expand(len(penalties), *each.shape)

    def weight(value: Tensor) -> Tensor:
        return value.clone().requires_grad_()

    some = len(penalties), len(seeds)
    encoders = [torch.nn.functional.normalize(drawn(width, n_latents), dim=-2) for _ in reads]
    made = Replacement(
        W_enc=[weight(each) for each in encoders],
        b_enc=[weight(torch.zeros(*some, n_latents)) for _ in reads],
        decoders={pair: weight(0.1 * drawn(n_latents, width)) for pair in pairs},
        biases=[weight(torch.zeros(*some, width)) for _ in reads],
    )
    weights = [*made.W_enc, *made.b_enc, *made.decoders.values(), *made.biases]
    optimiser = torch.optim.Adam(weights, lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        now = penalties[:, None] * min(1.0, 5 * step / steps)
        acts = [made.encode(layer, x) for layer, x in enumerate(reads)]
        value = loss(acts, made.decoders, made.biases, writes, penalty=now, norm=norm)
        optimiser.zero_grad()
        value.sum().backward()
        optimiser.step()
        schedule.step()
    return Replacement(
        [each.detach() for each in made.W_enc],
        [each.detach() for each in made.b_enc],
        {pair: each.detach() for pair, each in made.decoders.items()},
        [each.detach() for each in made.biases],
    )


# ---- Paths --------------------------------------------------------------------------------------


class Paths(NamedTuple):
    """Where an output comes from, as shares that add up to 1.

    Attributes:
        skips: features of layer 0 write it themselves.
        reads_inputs: features of layer 1 write it, and would with B ablated.
        through_b: the rest: features of layer 1 write it because they read B.
    """

    skips: Float[Tensor, "*model"]
    reads_inputs: Float[Tensor, "*model"]
    through_b: Float[Tensor, "*model"]


def path_shares(
    replacement: Replacement,
    start: Float[Tensor, "input d_stream"],
    b: Float[Tensor, "input d_stream"],
    on: Bool[Tensor, " input"],
    *,
    axis: int,
) -> Paths:
    """How much of what layer 1 is said to write comes by each path.

    What a path writes along `axis` counts as its mean over inputs where the output is on, less its
    mean over the others. Shares are of the sum of all paths; a bias is no path.

    Args:
        start: what layer 0 reads.
        b: what layer 0 writes, so that layer 1 reads `start + b`, and `start` with B ablated.
        on: at which inputs the network's output is on.
        axis: the output's place in the stream.
    """
    decoders = replacement.decoders

    def contrast(acts, pair):
        written = (acts @ decoders[pair])[..., axis]
        return written[..., on].mean(-1) - written[..., ~on].mean(-1)

    skips = contrast(replacement.encode(0, start), (0, 1)) if (0, 1) in decoders else 0.0
    own = contrast(replacement.encode(1, start + b), (1, 1))
    without = contrast(replacement.encode(1, start), (1, 1))
    total = skips + own
    return Paths(skips / total, without / total, (own - without) / total)


@guarded(reads=filled, writes=filled)
def errors_and_active(
    replacement: Replacement,
    reads: Sequence[Float[Tensor, "input d_stream"]],
    writes: Sequence[Float[Tensor, "input d_stream"]],
) -> tuple[
    Float[Tensor, "*model"], Float[Tensor, "*model"], Float[Tensor, "*model input d_stream"]
]:
    """The squared error, how many features are active, and what the last layer is said to write.

    The error is summed over the stream and layers, and a mean over inputs, as in the loss. A
    feature counts as active above 0.001.
    """
    acts = [replacement.encode(layer, x) for layer, x in enumerate(reads)]
    error = torch.zeros(())
    for target, wanted in enumerate(writes):
        made = replacement.biases[target][..., None, :] + sum(
            acts[source] @ weight
            for (source, to), weight in replacement.decoders.items()
            if to == target
        )
        error = error + (made - wanted).square().sum(-1).mean(-1)
    active = sum((each > 1e-3).float().sum(-1).mean(-1) for each in acts)
    return error, active, made
