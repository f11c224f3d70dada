"""Attribution graphs: which features caused which, on one prompt, by hand.

The *local replacement model* of a prompt has, for each MLP, a transcoder's output plus the error it
makes on this prompt; attention patterns and the norms' denominators are those of the prompt. What a
node writes then reaches every later node by a linear map, so effects of nodes add up.
Source: Ameisen et al. (2025), Circuit tracing, transformer-circuits.pub; influence, pruning and
scores as in the authors' circuit-tracer. Layer L of a feature is the block of its MLP.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.features.transcoders import Transcoder
from utils.guards import axes, count, filled, guarded

NODE_KINDS = EMBEDDING, FEATURE, ERROR, LOGIT = "embedding", "feature", "error", "logit"


class Node(NamedTuple):
    """One node: an embedding, a feature, a transcoder's error, or the logit difference.

    Attributes:
        kind: one of `NODE_KINDS`.
        layer: the block of a feature or error; -1 for an embedding, the number of blocks for the
            logit difference.
        position: of the token.
        latent: of a feature, its number in the transcoder of its layer; else -1.
        activation: of a feature; else 1.
    """

    kind: str
    layer: int
    position: int
    latent: int = -1
    activation: float = 1.0


class AttributionGraph(NamedTuple):
    """The nodes of one prompt, earlier layers first, and the direct effects between them.

    Attributes:
        nodes: embeddings; then layer by layer features and errors; the logit difference is last.
        effects: what each source adds to each target's pre-activation, or to the logit difference,
            [target, source]. Rows of embeddings and errors are 0.
    """

    nodes: list[Node]
    effects: Float[Tensor, "target source"]

    def of(self, *kinds: str) -> Bool[Tensor, " node"]:
        """Which nodes are of these kinds."""
        return torch.tensor([node.kind in kinds for node in self.nodes])


# ---- The linear replacement ---------------------------------------------------------------------


def linear_run(
    model,
    tokens: Int[Tensor, "batch pos"],
    cache,
    *,
    embeddings: Float[Tensor, "batch pos d_model"],
    writes: Sequence[Float[Tensor, "batch pos d_model"]],
) -> tuple[list[Float[Tensor, "batch pos d_model"]], Float[Tensor, "batch pos d_vocab"]]:
    """Run the model with all that is not linear frozen.

    Attention patterns and the norms' denominators are the cache's. The embeddings and what each MLP
    writes are given, so that results are linear in them, and gradients lead back to them.

    Args:
        cache: by name, of a clean run on the prompt, with `blocks.L.attn.hook_pattern`,
            `blocks.L.ln1.hook_scale`, `blocks.L.ln2.hook_scale` and `ln_final.hook_scale`.
        embeddings: in the place of `hook_embed`.
        writes: for each block, in the place of its `hook_mlp_out`.

    Returns:
        What each MLP reads (`mlp.hook_in`), by layer, and the logits.
    """
    reads: list[Tensor] = []

    def put(value):
        return lambda _, hook: value

    def keep(x, hook):
        reads.append(x)

    hooks = [
        ("hook_embed", put(embeddings)),
        ("ln_final.hook_scale", put(cache["ln_final.hook_scale"])),
    ]
    for layer, written in enumerate(writes):
        block = f"blocks.{layer}."
        for name in ("attn.hook_pattern", "ln1.hook_scale", "ln2.hook_scale"):
            hooks.append((block + name, put(cache[block + name].detach())))
        hooks += [(block + "mlp.hook_in", keep), (block + "hook_mlp_out", put(written))]
    with model.hooks(fwd_hooks=hooks):
        logits = model(tokens)
    return reads, logits


@guarded(tokens=axes(2), transcoders=filled, batch_size=count())
def attribution_graph(
    model,
    tokens: Int[Tensor, "one pos"],
    transcoders: Sequence[Transcoder],
    *,
    yes: int,
    no: int,
    batch_size: int = 64,
    run: Callable = linear_run,
) -> AttributionGraph:
    """Every active feature, error and embedding of a prompt, and all direct effects.

    Args:
        transcoders: one for each block's MLP, in order.
        yes, no: the output is the logit of `yes` less that of `no` at the last position.
        batch_size: how many targets are traced back at once.
        run: `linear_run`, or a function of the same arguments.

    Raises:
        ValueError: `tokens` is not one prompt, or there is not a transcoder for each block.
    """
    n_layers, n_pos = model.cfg.n_layers, tokens.shape[1]
    if len(tokens) != 1 or len(transcoders) != n_layers:
        raise ValueError(
            f"One prompt and {n_layers} transcoders are needed, one for each block; there are "
            f"{len(tokens)} and {len(transcoders)}."
        )
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    embed = cache["hook_embed"]
    writes = [cache[f"blocks.{layer}.hook_mlp_out"] for layer in range(n_layers)]
    nodes, vectors = [Node(EMBEDDING, -1, pos) for pos in range(n_pos)], [embed[0]]
    for layer, transcoder in enumerate(transcoders):
        x = cache[f"blocks.{layer}.mlp.hook_in"][0]
        acts = transcoder.encode(x)
        for pos, latent in acts.nonzero().tolist():
            value = acts[pos, latent]
            nodes.append(Node(FEATURE, layer, pos, latent, value.item()))
            vectors.append((value * transcoder.W_dec[latent])[None])
        nodes += [Node(ERROR, layer, pos) for pos in range(n_pos)]
        vectors.append(writes[layer][0] - transcoder(x))
    nodes.append(Node(LOGIT, n_layers, n_pos - 1))
    sources = torch.cat([*vectors, torch.zeros_like(embed[0, :1])]).detach()
    place = torch.tensor([min(node.layer + 1, n_layers) for node in nodes])
    position = torch.tensor([node.position for node in nodes])
    written = torch.zeros(len(nodes), n_pos, embed.shape[-1], device=embed.device)
    written[torch.arange(len(nodes)), position] = sources
    effects = torch.zeros(len(nodes), len(nodes), device=embed.device)
    leaves = [each.detach().clone().requires_grad_() for each in (embed, *writes)]
    reads, logits = run(model, tokens, cache, embeddings=leaves[0], writes=leaves[1:])
    targets = [i for i, node in enumerate(nodes) if node.kind in (FEATURE, LOGIT)]
    for at in range(0, len(targets), batch_size):
        part, values = targets[at : at + batch_size], []
        for node in (nodes[i] for i in part):
            if node.kind == FEATURE:
                encoder = transcoders[node.layer].W_enc[:, node.latent]
                values.append(reads[node.layer][0, node.position] @ encoder)
            else:
                values.append(logits[0, -1, yes] - logits[0, -1, no])
        back = torch.autograd.grad(  # one run forward; all targets of the part at once backward
            torch.stack(values),
            leaves,
            torch.eye(len(part), device=embed.device),
            is_grads_batched=True,
            retain_graph=True,
            materialize_grads=True,
        )
        for n, each in enumerate(back):  # [target, 1, pos, d_model]
            by = (place == n).nonzero().flatten()
            reaches = each.expand(len(part), *embed.shape).flatten(1) @ written[by].flatten(1).T
            effects[torch.tensor(part)[:, None], by] = reaches
    return AttributionGraph(nodes, effects)


def influence(
    effects: Float[Tensor, "target source"], weights: Float[Tensor, " node"]
) -> Float[Tensor, " node"]:
    """How much of the outputs every node is behind, directly and through all others.

    Rows of absolute effects are divided by their sums (a row of zeros stays). With that matrix A
    the influence is `weights @ (A + A^2 + A^3 + ...)`; in a graph without circles the powers end.

    Source: Ameisen et al. (2025).

    Args:
        effects: what each source adds to each target.
        weights: of the outputs (their probabilities, say), 0 for all other nodes.
    """
    share = effects.abs() / effects.abs().sum(1, keepdim=True).clamp(min=1e-10)
    total, power = torch.zeros_like(weights), weights @ share
    while power.any():
        total, power = total + power, power @ share
    return total


def pruned(scores: Float[Tensor, "..."], *, keep: float) -> Bool[Tensor, "..."]:
    """Which scores are the fewest that make up the share `keep` of their sum."""
    ordered, order = scores.flatten().sort(descending=True)
    before = ordered.cumsum(0) - ordered
    kept = torch.zeros(scores.numel(), dtype=torch.bool)
    kept[order] = before < keep * ordered.sum()
    return kept.view(scores.shape)


class Scores(NamedTuple):
    """How much of a graph is features rather than errors, from 0 to 1.

    Attributes:
        replacement: of the influence of embeddings and errors, the part of the embeddings.
        completeness: of what goes into a node, the part that comes from no error; a mean over
            nodes, weighted by influence.
    """

    replacement: float
    completeness: float


def graph_scores(graph: AttributionGraph) -> Scores:
    """Both scores of a graph whose last node is its output, as circuit-tracer takes them."""
    output = torch.zeros(len(graph.nodes))
    output[-1] = 1
    behind, errors = influence(graph.effects, output), graph.of(ERROR)
    tokens, wrong = behind[graph.of(EMBEDDING)].sum(), behind[errors].sum()
    size = graph.effects.abs()
    from_errors = size[:, errors].sum(1) / size.sum(1).clamp(min=1e-10)
    weight = behind + output
    complete = ((1 - from_errors) * weight).sum() / weight.sum()
    return Scores((tokens / (tokens + wrong)).item(), complete.item())


# ---- Suppressing features -----------------------------------------------------------------------


def predicted_change(graph, nodes: Sequence[int], *, factor: float = 0.0) -> float:
    """By the graph, the change of the logit difference when features are set to a multiple.

    These change by the share `factor - 1`. Any other feature changes by the share: the sum over
    its sources of effect times the source's share, divided by its activation. The logit
    difference changes by that sum itself. Embeddings and errors do not change.

    Args:
        graph: an `AttributionGraph`.
        nodes: numbers of features in `graph.nodes`.
        factor: 0 ablates them, -1 turns them round.
    """
    change = torch.zeros(len(graph.nodes))
    for i, node in enumerate(graph.nodes):  # sources come before their targets
        if i in nodes:
            change[i] = factor - 1
        elif node.kind in (FEATURE, LOGIT):
            change[i] = graph.effects[i] @ change / node.activation
    return change[-1].item()


@torch.no_grad()
def actual_change(
    model,
    tokens: Int[Tensor, "one pos"],
    transcoders: Sequence[Transcoder],
    nodes: Sequence[Node],
    *,
    yes: int,
    no: int,
    factor: float = 0.0,
) -> float:
    """In the model itself, nothing frozen: what these features write is taken times `factor`.

    The real MLPs stay; to their outputs is added `factor - 1` times what the features write.

    Args:
        nodes: features.
        yes, no: as for `attribution_graph`.
    """

    def add(layer):
        def hook(y, hook):
            y = y.clone()
            for node in nodes:
                if node.layer == layer:
                    direction = transcoders[layer].W_dec[node.latent]
                    y[0, node.position] += (factor - 1) * node.activation * direction
            return y

        return hook

    layers = sorted({node.layer for node in nodes})
    before = model(tokens)[0, -1]
    with model.hooks(fwd_hooks=[(f"blocks.{n}.hook_mlp_out", add(n)) for n in layers]):
        after = model(tokens)[0, -1]
    return ((after[yes] - after[no]) - (before[yes] - before[no])).item()
