"""Finding circuits: edges between components, their scores, pruning, and how good a circuit is.

The residual stream is a sum. An embedding, a head or an MLP that adds to it is a **writer**;
each head's query, key and value, each MLP and the unembedding is a **reader** of what was added
before it. An **edge** is a pair (writer, reader), such as `("L0H0", "L1H2.k")`.

An edge is patched by giving the reader, and only the reader, what its writer wrote in another run.
As in `transformer_lens`, that other run is the *source*, and the one that is patched the
*destination*; the functions call it `tokens`, as a sweep does.
"""

import difflib
import functools
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.tools.analysis.attribution_patching import cache_activation_and_gradient

from utils.circuits.patching import Metric, check_runs, scored
from utils.guards import (
    Guard,
    axes,
    count,
    evaluating,
    filled,
    guarded,
    index_of,
    number,
    plain,
    several,
    unpadded,
)
from utils.heads import Head, by_layer

Edge = tuple[str, str]


# ---- The graph ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Graph:
    """Who can read whom.

    Attributes:
        writers: "embed", then "L0H0" ... and "MLP0" (where there are MLPs), layer by layer.
        readers: "L0H0.q" ..., "L0H0.k" ..., "L0H0.v" ..., "MLP0", layer by layer, then "logits".
            Where query heads share keys and values (grouped-query attention), the shared head is
            one reader: "L0KV1.k".
        allowed: whether the writer comes before the reader.
    """

    writers: tuple[str, ...]
    readers: tuple[str, ...]
    allowed: Bool[Tensor, "writer reader"]

    def edges(self) -> list[Edge]:
        """Every pair that is allowed, readers in the order of computation."""
        return [
            (self.writers[w], self.readers[r])
            for r, w in self.allowed.T.nonzero().tolist()  # row by row: reader by reader
        ]

    def score_of(self, scores: Float[Tensor, "writer reader"]) -> dict[Edge, float]:
        """A score matrix as a dictionary over the edges.

        Raises:
            ValueError: it is not [writer, reader] of this graph.
        """
        if scores.shape != self.allowed.shape:
            raise ValueError(
                f"The scores have shape {list(scores.shape)}, and this graph has "
                f"{len(self.writers)} writers and {len(self.readers)} readers."
            )
        values = scores.detach().cpu().T[self.allowed.T].tolist()
        return dict(zip(self.edges(), values, strict=True))


def graph(model) -> Graph:
    """The graph of a TransformerBridge whose layers are attention, then (perhaps) an MLP.

    Raises:
        NotImplementedError: its layers are built in another way.
    """
    if model.cfg.parallel_attn_mlp or any("_post.hook" in name for name in model.hook_dict):
        raise NotImplementedError(
            "In this model attention and MLP run side by side, or what they write is normalised "
            "once more, so its edges are others: choose a model such as GPT-2, Llama or Qwen."
        )
    writers, readers, seen = ["embed"], [], []

    def read(names: list[str]) -> None:
        readers.extend(names)
        seen.extend([len(writers)] * len(names))

    for layer in range(model.cfg.n_layers):
        heads = [f"L{layer}H{h}" for h in range(model.cfg.n_heads)]
        read([f"{head}.q" for head in heads])
        for letter in "kv":
            read([f"{_key_value_name(model, layer, h)}.{letter}" for h in range(_n_kv(model))])
        writers += heads
        if not model.cfg.attn_only:
            read([f"MLP{layer}"])
            writers.append(f"MLP{layer}")
    read(["logits"])
    before = torch.arange(len(writers))[:, None] < torch.tensor(seen)
    return Graph(tuple(writers), tuple(readers), before)


def _n_kv(model) -> int:
    return model.cfg.n_key_value_heads or model.cfg.n_heads


def _key_value_name(model, layer: int, h: int) -> str:
    shared = _n_kv(model) != model.cfg.n_heads
    return f"L{layer}KV{h}" if shared else f"L{layer}H{h}"


def _parsed(name: str) -> tuple[str, int, int]:
    """`"L3H1.q"` as ("q", 3, 1), `"L3H1"` as ("head", 3, 1), `"MLP3"` as ("MLP", 3, 0)."""
    if name.startswith("MLP"):
        return "MLP", int(name[3:]), 0
    if name in ("embed", "logits"):
        return name, 0, 0
    head, _, letter = name.partition(".")
    layer, number = head[1:].replace("KV", "H").split("H")
    return letter or "head", int(layer), int(number)


# ---- Edge attribution ---------------------------------------------------------------------------


def _of_readers(value: Tensor, given: Mapping) -> str | None:
    wanted, got = tuple(given["difference"].shape[1:]), tuple(value.shape)
    if got[1:] == wanted:
        return None
    return f"has shape {got}, and must end in {wanted}, as `difference`"


def _of_pairs(value: Tensor, given: Mapping) -> str | None:
    wanted = len(given["difference"]), len(given["gradient"])
    if tuple(value.shape) == wanted and value.dtype == torch.bool:
        return None
    return f"is {value.dtype} of shape {tuple(value.shape)}: give booleans, {wanted}"


@guarded(difference=axes(4), gradient=(axes(4), _of_readers), allowed=_of_pairs)
def edge_attribution_scores(
    difference: Float[Tensor, "writer batch pos d_model"],
    gradient: Float[Tensor, "reader batch pos d_model"],
    allowed: Bool[Tensor, "writer reader"],
) -> Float[Tensor, "writer reader"]:
    """The guessed effect of patching each edge.

    Source: Syed et al., 2023 (arXiv 2310.10348).

    Args:
        difference: each writer's output, source minus destination.
        gradient: of the metric's mean over the batch, by each reader's input, before its norm.
        allowed: True where the writer comes before the reader; all other entries of the result
            are 0.
    """
    return torch.einsum("wbpd,rbpd->wr", difference, gradient) * allowed


@guarded(steps=count(low=0))
def edge_attribution(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    metric: Metric,
    steps: int = 0,
) -> Float[Tensor, "writer reader"]:
    """Scores every edge of `graph(model)` at once: the guessed change of the batch's mean metric
    when the edge is patched from `source` into the run on `tokens`.

    TransformerLens has the same by position (`attribution_patch`, granularity "edge"), for models
    with no grouped-query attention whose bridges have split inputs. Here a reader's gradient is
    taken at its query, key or value and pulled back through its projection and its norm, head by
    head, which needs neither.

    Args:
        model: a TransformerBridge with raw weights.
        tokens: the run that is patched, the destination.
        source: tokens of the other run, position by position of the same meaning.
        metric: its mean over the prompts is what an edge changes.
        steps: 0 takes the gradient in the destination run. More averages it over that many points
            on the way from the destination's embeddings to the source's (EAP-IG, Hanna et al.,
            2024, arXiv 2403.17806).

    Raises:
        ValueError: the two runs do not fit together or are padded, a hook is at work, or the metric
            has no gradient, or not a number for each prompt.
        NotImplementedError: the model's layers are not attention, then an MLP.
    """
    check_runs(model, tokens, source)
    allowed = graph(model).allowed
    there = _written(model, _cached(model, source, metric, gradient=False).activations)
    here = _cached(model, tokens, metric, gradient=not steps)
    difference = there - _written(model, here.activations)
    if not steps:
        gradient = _read_gradients(model, here)
    else:
        start, gap = here.activations["hook_embed"], difference[0]
        points = [(start + (i + 0.5) / steps * gap).requires_grad_() for i in range(steps)]
        gradient = torch.zeros(())
        for point in points:
            run = _cached(model, tokens, metric, gradient=True, embed=point)
            gradient = gradient.to(gap) + _read_gradients(model, run) / steps
    return edge_attribution_scores(difference, gradient, allowed.to(gradient.device))


def _cached(model, tokens, metric, gradient: bool, embed: Tensor | None = None):
    """Activations, and gradients of the mean metric, at all hooks that edges need."""
    n_layers, mlps = range(model.cfg.n_layers), not model.cfg.attn_only
    names = ["hook_embed", "ln_final.hook_in"]
    for layer in n_layers:
        block = f"blocks.{layer}"
        names += [f"{block}.ln1.hook_in"] + [f"{block}.attn.hook_{x}" for x in "qkvz"]
        names += [f"{block}.ln2.hook_in", f"{block}.hook_mlp_out"] if mlps else []

    def start(value: Tensor, hook) -> Tensor:
        # Of a model whose weights are frozen nothing has a gradient before it is asked for.
        value = value if embed is None else embed
        return value if value.requires_grad else value.requires_grad_()

    def mean(logits: Tensor) -> Tensor:
        score = scored(metric, logits, "the metric", "on the unpatched run").mean()
        if gradient and not score.requires_grad:
            raise ValueError(
                "The metric has no gradient, as counts have none: choose one that moves smoothly, "
                "such as a difference of logits."
            )
        return score

    with (
        torch.set_grad_enabled(gradient),
        model.hooks(fwd_hooks=[("hook_embed", start)]) if gradient else nullcontext(),
    ):
        return cache_activation_and_gradient(
            model, tokens, mean, names_filter=names, compute_gradient=gradient
        )


def _written(model, activations) -> Float[Tensor, "writer batch pos d_model"]:
    """What each writer adds to the residual stream, in the order of `graph(model).writers`."""
    parts = [activations["hook_embed"][None]]
    for layer in range(model.cfg.n_layers):
        z = activations[f"blocks.{layer}.attn.hook_z"]
        parts.append(torch.einsum("bphe,hed->hbpd", z, model.blocks[layer].attn.W_O))
        if not model.cfg.attn_only:
            parts.append(activations[f"blocks.{layer}.hook_mlp_out"][None])
    return torch.cat([part.detach() for part in parts])


@torch.enable_grad()
def _read_gradients(model, run) -> Float[Tensor, "reader batch pos d_model"]:
    """The metric's gradient by each reader's own input, in the order of `graph(model).readers`."""
    parts = []
    for layer in range(model.cfg.n_layers):
        resid = run.activations[f"blocks.{layer}.ln1.hook_in"]
        for letter in "qkv":
            gradient = run.gradients[f"blocks.{layer}.attn.hook_{letter}"]
            heads = resid.expand(gradient.shape[2], *resid.shape).clone().requires_grad_()
            projected = _project(model, layer, letter, heads)
            (pulled,) = torch.autograd.grad((projected * gradient.movedim(2, 0)).sum(), heads)
            parts.append(pulled)
        if not model.cfg.attn_only:
            parts.append(run.gradients[f"blocks.{layer}.ln2.hook_in"][None])
    return torch.cat([*parts, run.gradients["ln_final.hook_in"][None]])


def _project(model, layer: int, letter: str, resid: Tensor, head: int | None = None) -> Tensor:
    """Queries, keys or values that a layer makes of its input, without their biases.

    Args:
        resid: [head, batch, pos, d_model], an input for each head; or, with `head`, one input.
    """
    block = model.blocks[layer]
    weight = getattr(block.attn, f"W_{letter.upper()}")
    normed = block.ln1.original_component(resid)
    if head is not None:
        return normed @ weight[head]
    return torch.einsum("hbpd,hde->hbpe", normed, weight)


# ---- Exact edge patching ------------------------------------------------------------------------


@guarded(edge_sets=filled, batch_size=count())
@torch.no_grad()
def patched_edges(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    edge_sets: Sequence[Collection[Edge]],
    metric: Metric,
    batch_size: int = 64,
) -> Float[Tensor, " set"]:
    """Mean metric of the run on `tokens`, once for each set, with all edges of the set patched.

    A patched reader's input is rebuilt before its norm: what the writer writes in this very run is
    taken out, and what it wrote in the source run is put in. Other readers of that writer see no
    change; what follows from the change does flow on.

    Args:
        tokens, source, metric: as for `edge_attribution`.
        edge_sets: sets of edges; the empty set gives the plain run. An edge that stands in a set
            twice is patched once.
        batch_size: at most so many rows in one forward pass.

    Raises:
        ValueError: an edge is not in `graph(model)`; or as for `edge_attribution`.
    """
    check_runs(model, tokens, source)
    edges_of_model = graph(model)
    _check_edges(edges_of_model, edge_sets)
    there = _cached(model, source, metric, gradient=False).activations
    index = {name: i for i, name in enumerate(edges_of_model.writers)}
    written = _written(model, there)
    batch, per_pass = len(tokens), max(1, batch_size // len(tokens))
    values = []
    for start in range(0, len(edge_sets), per_pass):
        chunk = edge_sets[start : start + per_pass]
        by_reader: dict[str, list[tuple[slice, str]]] = {}
        for i, edges in enumerate(chunk):
            for writer, reader in dict.fromkeys(edges):
                place = slice(i * batch, (i + 1) * batch)
                by_reader.setdefault(reader, []).append((place, writer))
        hooks = _edge_hooks(model, by_reader, source={w: written[i] for w, i in index.items()})
        with model.hooks(fwd_hooks=hooks):
            logits = model(tokens.repeat(len(chunk), 1))
        values += [
            scored(metric, logits[i * batch : (i + 1) * batch], "the metric", f"on set {start + i}")
            for i in range(len(chunk))
        ]
    return torch.stack(values).mean(1)


def _check_edges(graph: Graph, edge_sets: Sequence[Collection[Edge]]) -> None:
    """Raises a ValueError for the first thing that is not an edge of this graph."""
    places = [{name: i for i, name in enumerate(ends)} for ends in (graph.writers, graph.readers)]
    for edge in dict.fromkeys(edge for edges in edge_sets for edge in edges):
        if not (isinstance(edge, tuple) and len(edge) == 2):
            raise ValueError(
                f'Give sets of pairs (writer, reader), such as ("L0H0", "L1H0.q"), not {edge!r}.'
            )
        for name, there, what in zip(edge, places, ("writer", "reader"), strict=True):
            if name not in there:
                near = difflib.get_close_matches(str(name), there, n=3, cutoff=0)
                raise ValueError(
                    f"This model has no {what} {name!r}; there are {len(there)}, among them "
                    f"{', '.join(near)}."
                )
        if not graph.allowed[places[0][edge[0]], places[1][edge[1]]]:
            raise ValueError(f"{edge[1]} cannot read {edge[0]}, which writes after it.")


def _edge_hooks(model, by_reader, source: dict[str, Tensor]) -> list:
    live: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(value, hook):
            live[name] = value

        return hook

    differences: dict[tuple[str, int], Tensor] = {}  # many readers read one writer

    def change(reader: str, like: Tensor) -> Tensor:
        """What the patched edges into `reader` add to its input."""
        delta = torch.zeros_like(like)
        for place, writer in by_reader[reader]:
            if (key := (writer, place.start)) not in differences:
                differences[key] = source[writer] - written_now(writer, place)
            delta[place] += differences[key]
        return delta

    def written_now(writer: str, place: slice) -> Tensor:
        kind, layer, h = _parsed(writer)
        if kind == "head":
            z = live[f"blocks.{layer}.attn.hook_z"][place, :, h]
            return z @ model.blocks[layer].attn.W_O[h]
        return live["hook_embed" if kind == "embed" else f"blocks.{layer}.hook_mlp_out"][place]

    def into_heads(layer: int, letter: str, readers: list[str]):
        def hook(value, hook):
            value, resid = value.clone(), live[f"blocks.{layer}.ln1.hook_in"]
            for reader in readers:
                h = _parsed(reader)[2]
                changed = resid + change(reader, resid)
                value[:, :, h] += _project(model, layer, letter, changed, h)
                value[:, :, h] -= _project(model, layer, letter, resid, h)
            return value

        return hook

    hooks = [("hook_embed", keep("hook_embed"))]
    for layer in range(model.cfg.n_layers):
        block = f"blocks.{layer}"
        hooks.append((f"{block}.ln1.hook_in", keep(f"{block}.ln1.hook_in")))
        for letter in "qkv":
            readers = [r for r in by_reader if _parsed(r)[:2] == (letter, layer)]
            if readers:
                hooks.append((f"{block}.attn.hook_{letter}", into_heads(layer, letter, readers)))
        hooks.append((f"{block}.attn.hook_z", keep(f"{block}.attn.hook_z")))
        if not model.cfg.attn_only:
            if f"MLP{layer}" in by_reader:
                add = f"MLP{layer}"
                hooks.append((f"{block}.ln2.hook_in", lambda x, hook, to=add: x + change(to, x)))
            hooks.append((f"{block}.hook_mlp_out", keep(f"{block}.hook_mlp_out")))
    if "logits" in by_reader:
        hooks.append(("ln_final.hook_in", lambda x, hook: x + change("logits", x)))
    return hooks


# ---- Pruning, and how far a circuit is right where the truth is known ---------------------------


def _each_once(value: Collection[Hashable], _: Mapping) -> str | None:
    twice = [each for each, n in Counter(value).items() if n > 1]
    return f"holds {twice[0]!r} twice: give each once" if twice else None


@guarded(parts=(several, plain, _each_once), threshold=number())
def prune(
    parts: Sequence[Hashable], damage: Callable[[frozenset], float], *, threshold: float
) -> list:
    """What is left of `parts`, in their order, after trying once to remove each.

    A part is removed for good if that adds less than `threshold` to the damage done so far. Source:
    ACDC, Conmy et al., 2023 (arXiv 2304.14997).

    Args:
        parts: in the order in which to try them.
        damage: `damage(removed)` is what it costs to remove a set of parts (a frozenset) together.
        threshold: in the units of `damage`.
    """
    removed = frozenset()
    done = damage(removed)
    for part in parts:
        tried = damage(removed | {part})
        if tried - done < threshold:
            removed, done = removed | {part}, tried
    return [part for part in parts if part not in removed]


@guarded(found=(several, _each_once), true=(several, filled, _each_once))
def precision_recall(found: Collection, true: Collection) -> tuple[float, float]:
    """Precision and recall. With nothing found, precision is 1: no claim was wrong.

    Args:
        found: the edges that a method names; a list, tuple or set without repeats.
        true: the edges that are there; the same, and not empty.
    """
    right = len(set(found) & set(true))
    precision = right / len(found) if len(found) else 1.0
    return precision, right / len(true)


# ---- Circuits of heads --------------------------------------------------------------------------


def _fills(value: Tensor, given: Mapping) -> str | None:
    batch, *rest = given["z"].shape
    if list(value.shape[1:]) == rest and len(value) in (1, batch):
        return None
    return f"has shape {tuple(value.shape)}, and must be {[batch, *rest]} as `z`, or of one row"


@guarded(z=axes(4), fill=(axes(4), _fills), kept=index_of("z", 2))
def keep_heads(
    z: Float[Tensor, "batch pos head d_head"],
    fill: Float[Tensor, "#batch pos head d_head"],
    kept: Sequence[int],
) -> Float[Tensor, "batch pos head d_head"]:
    """A copy of `z` in which every head that is not in `kept` gives `fill`.

    Args:
        z: one layer's head outputs.
        fill: the same for all prompts (one row), or a row for each prompt.
        kept: the heads of this layer that belong to the circuit; perhaps none.
    """
    keep = torch.zeros(z.shape[2], dtype=torch.bool, device=z.device)
    keep[list(kept)] = True
    return torch.where(keep[:, None], z, fill)


@guarded(model=evaluating, tokens=(axes(2), filled, unpadded))
@torch.no_grad()
def head_z(model, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer batch pos head d_head"]:
    """Every head's `z`. Its mean over the batch, position by position, is a usual `fill`."""
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("attn.hook_z"))
    return torch.stack([cache["z", layer] for layer in range(model.cfg.n_layers)])


def _of_layers(value: Tensor, given: Mapping) -> str | None:
    n = given["model"].cfg.n_layers
    return None if len(value) == n else f"is for {len(value)} layers, and this model has {n}"


@guarded(circuits=filled, fill=(axes(5), _of_layers), batch_size=count())
@torch.no_grad()
def circuit_values(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    circuits: Sequence[Collection[Head]],
    fill: Float[Tensor, "layer some pos head d_head"],
    metric: Metric,
    batch_size: int = 64,
) -> Float[Tensor, "circuit batch"]:
    """The metric of each prompt for each circuit, when all heads outside it give `fill`. MLPs run
    as ever.

    Args:
        circuits: sets of heads.
        fill: what the other heads give: means over prompts, or their outputs on other prompts.
        batch_size: at most so many rows in one forward pass.

    Raises:
        ValueError: the model has no such head, `fill` does not fit, the prompts are padded, a hook
            is at work, or the metric does not return a number for each prompt.
    """
    check_runs(model, tokens, {})
    circuits = [by_layer(model, circuit) for circuit in circuits]
    batch, per_pass = len(tokens), max(1, batch_size // len(tokens))
    values = []

    def hook_of(layer: int, chunk):
        def hook(z, hook):
            pieces = [
                keep_heads(piece, fill[layer], circuit.get(layer, []))
                for piece, circuit in zip(z.split(batch), chunk, strict=True)
            ]
            return torch.cat(pieces)

        return hook

    for start in range(0, len(circuits), per_pass):
        chunk = circuits[start : start + per_pass]
        hooks = [
            (f"blocks.{layer}.attn.hook_z", hook_of(layer, chunk))
            for layer in range(model.cfg.n_layers)
        ]
        with model.hooks(fwd_hooks=hooks):
            logits = model(tokens.repeat(len(chunk), 1))
        pieces = enumerate(logits.split(batch), start)
        values += [scored(metric, piece, "the metric", f"on circuit {i}") for i, piece in pieces]
    return torch.stack(values)


def circuit_metric(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    circuits: Sequence[Collection[Head]],
    fill: Float[Tensor, "layer some pos head d_head"],
    metric: Metric,
    batch_size: int = 64,
) -> Float[Tensor, " circuit"]:
    """`circuit_values`, averaged over the prompts: one number for each circuit."""
    settings = {"circuits": circuits, "fill": fill, "metric": metric, "batch_size": batch_size}
    return circuit_values(model, tokens, **settings).mean(1)


def metric_of_heads(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    fill: Float[Tensor, "layer some pos head d_head"],
    metric: Metric,
) -> Callable[[Collection], float]:
    """`circuit_metric` of one set of heads at a time, which remembers what it has measured."""

    @functools.cache
    def measured(circuit: frozenset) -> float:
        return circuit_metric(model, tokens, circuits=[circuit], fill=fill, metric=metric).item()

    return lambda circuit: measured(frozenset(circuit))


def _with_gap(value: Callable[[Collection], float], given: Mapping) -> str | None:
    """A metric that tells the whole model from nothing. (`metric_of_heads` remembers both.)"""
    none, whole = value([]), value(given["everything"])
    if abs(whole - none) > 1e-6:
        return None
    return (
        f"gives {whole:.3g} for the whole model and {none:.3g} for nothing, so no share can be "
        "taken: choose a metric or a fill that tells the two apart"
    )


def _within(other: str) -> Guard:
    """Parts that are all in another argument."""

    def guard(value: Collection, given: Mapping) -> str | None:
        odd = set(value) - set(given[other])
        return f"holds {min(odd, key=str)!r}, which is not in `{other}`" if odd else None

    return guard


_CIRCUIT = {"everything": filled, "circuit": _within("everything"), "metric_of": _with_gap}


@guarded(**_CIRCUIT)
def faithfulness(
    metric_of: Callable[[Collection], float], circuit: Collection, everything: Collection
) -> float:
    """Which share of what the heads do together the circuit does alone: 0 nothing, 1 all.

    Args:
        metric_of: `metric_of(parts)` is the metric when only these parts run.
        circuit: the parts of the circuit.
        everything: all parts of the model.
    """
    none, whole = metric_of([]), metric_of(everything)
    return (metric_of(circuit) - none) / (whole - none)


@guarded(**_CIRCUIT)
def minimality(
    metric_of: Callable[[Collection], float], circuit: Collection, everything: Collection
) -> dict:
    """Part -> by how much the circuit's faithfulness falls without that part.

    Args:
        metric_of: `metric_of(parts)` is the metric when only these parts run.
        circuit: the parts of the circuit.
        everything: all parts of the model.
    """
    none, whole = metric_of([]), metric_of(everything)
    full = metric_of(circuit)
    return {
        part: (full - metric_of([other for other in circuit if other != part])) / (whole - none)
        for part in circuit
    }
