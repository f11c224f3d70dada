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
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens import ActivationCache
from transformers import DynamicCache

from utils.circuits.patching import Metric, check_runs, scored
from utils.guards import (
    Guard,
    count,
    filled,
    guarded,
    number,
    plain,
    several,
)
from utils.heads import Head, by_layer

Edge = tuple[str, str]
Kept = Mapping[str, Tensor] | ActivationCache
"""Tensors by the names of their hooks."""


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


# ---- What the functions below refuse ------------------------------------------------------------


def _second_run(value: Tensor, given: Mapping) -> str | None:
    """Tokens of a run that can be compared with `tokens`."""
    try:
        check_runs(given["model"], given["tokens"], value)
    except ValueError as error:
        return f"cannot be used: {str(error).rstrip('.')}"
    return None


def _a_head(value: Head, given: Mapping) -> str | None:
    by_layer(given["model"], [value])
    return None


def _reads_later(value: Head, given: Mapping) -> str | None:
    n_heads = _n_kv(given["model"]) if given["into"] in ("k", "v") else given["model"].cfg.n_heads
    if value[1] >= n_heads:
        return f"is {value}: in {given['into']!r} heads go from 0 to {n_heads - 1}"
    if value[0] <= given["writer"][0]:
        return f"is {value}, and must be in a later layer than the writer, {given['writer']}"
    return None


def _letter(value: str, _: Mapping) -> str | None:
    return None if value in ("q", "k", "v") else f"is {value!r}: choose 'q', 'k' or 'v'"


# ---- What is written, and what is read ------------------------------------------------------


def edge_hooks(model) -> list[str]:
    """The hooks whose activations and gradients `written` and `read_gradients` need.

    Each by its own name, which is `hook.name` in a hook: `attn.hook_q` is a second name of
    `attn.q.hook_out`.
    """
    hooks = model.hook_dict
    return [hooks[name].name for name in _usual_names(model)]


def _usual_names(model) -> list[str]:
    names = ["hook_embed"]
    for layer in range(model.cfg.n_layers):
        block = f"blocks.{layer}"
        names += [f"{block}.ln1.hook_in", *(f"{block}.attn.hook_{x}" for x in "qkvz")]
        names += [] if model.cfg.attn_only else [f"{block}.ln2.hook_in", f"{block}.hook_mlp_out"]
    return [*names, "ln_final.hook_in"]


def _by_usual_names(model, kept: Kept) -> dict[str, Tensor]:
    """What was kept at `edge_hooks`, whichever of their names it was kept by."""
    pairs = zip(_usual_names(model), edge_hooks(model), strict=True)
    names = {usual: usual if usual in kept else own for usual, own in pairs}
    return {usual: kept[name] for usual, name in names.items() if name in kept}


def written(model, activations: Kept) -> Float[Tensor, "writer batch pos d_model"]:
    """What each writer adds to the residual stream, in the order of `graph(model).writers`.

    Args:
        activations: at `edge_hooks(model)`, by name; a cache of `run_with_cache` will do.
    """
    activations = _by_usual_names(model, activations)
    parts = [activations["hook_embed"][None]]
    for layer in range(model.cfg.n_layers):
        z = activations[f"blocks.{layer}.attn.hook_z"]
        parts.append(torch.einsum("bphe,hed->hbpd", z, model.blocks[layer].attn.W_O))
        if not model.cfg.attn_only:
            parts.append(activations[f"blocks.{layer}.hook_mlp_out"][None])
    return torch.cat([part.detach() for part in parts])


def read_gradients(
    model, activations: Kept, gradients: Mapping[str, Tensor | None] | ActivationCache
) -> Float[Tensor, "reader batch pos d_model"]:
    """A number's gradient by each reader's own input, in the order of `graph(model).readers`.

    The gradient at a head's query, key or value is pulled back through its weights and its norm.

    Args:
        activations: at `edge_hooks(model)`, by name.
        gradients: of the number by these activations, by name.

    Raises:
        ValueError: a gradient is missing, or None.
    """
    _check_gradients(model, gradients)
    activations, gradients = (_by_usual_names(model, kept) for kept in (activations, gradients))
    parts = []
    for layer in range(model.cfg.n_layers):
        block = model.blocks[layer]
        resid = activations[f"blocks.{layer}.ln1.hook_in"].detach().requires_grad_()
        with torch.enable_grad():
            normed = block.ln1.original_component(resid)
        for letter in "qkv":
            gradient = gradients[f"blocks.{layer}.attn.hook_{letter}"]
            weight = getattr(block.attn, f"W_{letter.upper()}").detach()
            by_normed = torch.einsum("bphe,hde->hbpd", gradient, weight)
            parts += torch.autograd.grad(
                normed, resid, by_normed, is_grads_batched=True, retain_graph=True
            )
        if not model.cfg.attn_only:
            parts.append(gradients[f"blocks.{layer}.ln2.hook_in"][None])
    return torch.cat([*parts, gradients["ln_final.hook_in"][None]])


def _check_gradients(model, gradients: Mapping) -> None:
    read = ("hook_q", "hook_k", "hook_v", "ln2.hook_in", "ln_final.hook_in")
    for usual, own in zip(_usual_names(model), edge_hooks(model), strict=True):
        if usual.endswith(read) and usual not in gradients and own not in gradients:
            raise ValueError(f"There is no gradient at {own!r}: give one for each of `edge_hooks`.")
        if usual.endswith(read) and gradients[usual if usual in gradients else own] is None:
            raise ValueError(
                f"The gradient at {own!r} is None: `.grad` is filled for leaf tensors only, so "
                "take it with `torch.autograd.grad(number, tensors)`."
            )


@guarded(head=_a_head, into=_letter)
def head_reads(
    model, head: Head, into: str, stream: Float[Tensor, "batch pos d_model"]
) -> Float[Tensor, "batch pos d_head"]:
    """The query, key or value that a head makes of a residual stream, its norm included.

    Args:
        head: layer and number. For "k" and "v" the key-value head, of which there are fewer where
            query heads share them.
        into: "q", "k" or "v".
        stream: the residual stream before the head's block.
    """
    attn, kind = model.blocks[head[0]].attn, into.upper()
    normed = model.blocks[head[0]].ln1.original_component(stream)
    value, bias = normed @ getattr(attn, f"W_{kind}")[head[1]], getattr(attn, f"b_{kind}", None)
    return value if bias is None else value + bias[head[1]]


# ---- One edge, exactly --------------------------------------------------------------------------


@guarded(source=_second_run, into=_letter, writer=_a_head, reader=(_a_head, _reads_later))
@torch.no_grad()
def patch_edge(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    writer: Head,
    reader: Head,
    into: str,
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits of the run on `tokens`, in which one head reads what one writer wrote on `source`.

    Source: path patching of Wang et al., 2022 (arXiv 2211.00593), without the MLPs.

    Args:
        source: tokens of the other run.
        writer: (layer, head); all other heads go on reading what it writes in this run.
        reader: (layer, head) of a later layer; the key-value head where `into` is "k" or "v".
        into: "q", "k" or "v": which of its three inputs changes.
    """
    (layer, head), (to_layer, to_head) = writer, reader
    out, stream = f"blocks.{layer}.attn.hook_z", f"blocks.{to_layer}.ln1.hook_in"
    _, there = model.run_with_cache(source, names_filter=[out])
    here = {}

    def keep_z(z, hook):
        here["z"] = z

    def keep_stream(resid, hook):
        here["stream"] = resid

    def reads_the_other(value, hook):
        change = (there[out] - here["z"])[:, :, head] @ model.blocks[layer].attn.W_O[head]
        value = value.clone()
        value[:, :, to_head] = head_reads(model, reader, into, here["stream"] + change)
        return value

    into_hook = f"blocks.{to_layer}.attn.hook_{into}"
    hooks = [(out, keep_z), (stream, keep_stream), (into_hook, reads_the_other)]
    return model.run_with_hooks(tokens, fwd_hooks=hooks)


# ---- All edges from one gradient ----------------------------------------------------------------


@guarded(source=_second_run)
def edge_attribution(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    metric: Metric,
    at: Float[Tensor, "batch pos d_model"] | None = None,
) -> Float[Tensor, "writer reader"]:
    """The guessed change of the metric, its mean over prompts, when each edge is patched.

    0 where `graph(model).allowed` is False. No tensor [writer, reader, batch, ...] is built.

    Source: Syed et al., 2023 (arXiv 2310.10348), after Nanda, 2023.

    Args:
        tokens: the run that is patched.
        source: the run that the patches come from.
        metric: logits to [batch].
        at: embeddings with which the run of the gradient begins; None: those of `tokens`.
    """
    names, here = edge_hooks(model), {}
    with torch.no_grad():
        _, there = model.run_with_cache(source, names_filter=names)
        _, own = model.run_with_cache(tokens, names_filter=names)

    def keep(value, hook):
        if hook.name == names[0]:
            value = (value if at is None else at).detach().requires_grad_()
        here[hook.name] = value.clone()
        return here[hook.name]

    with torch.enable_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
        slopes = torch.autograd.grad(metric(logits).mean(), [here[name] for name in names])
    gradient = read_gradients(model, here, dict(zip(names, slopes, strict=True)))
    difference = written(model, there) - written(model, own)
    scores = torch.einsum("wbpd,rbpd->wr", difference, gradient)
    return scores * graph(model).allowed.to(scores.device)


@guarded(source=_second_run, steps=count())
def integrated_edges(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    metric: Metric,
    steps: int,
    attribute: Callable = edge_attribution,
) -> Float[Tensor, "writer reader"]:
    """`edge_attribution` with the gradient averaged over the way from one run to the other.

    Source: EAP-IG, Hanna et al., 2024 (arXiv 2403.17806).

    Args:
        tokens, source, metric: as for `edge_attribution`.
        steps: at so many points between the embeddings of `tokens` and those of `source`: in the
            middle of each of `steps` equal pieces of the way.
        attribute: scores the edges at one point, as `edge_attribution` with `at`.
    """
    start, end = model.embed(tokens), model.embed(source)
    total = 0
    for i in range(steps):
        point = start + (i + 0.5) / steps * (end - start)
        total = total + attribute(model, tokens, source=source, metric=metric, at=point)
    return total / steps


# ---- Many sets of edges, exactly ----------------------------------------------------------------


def _first(tokens: Tensor, source: Tensor) -> int:
    """The first position where two runs differ; 0 where there is none."""
    return int((tokens != source).any(0).int().argmax())


class _Rest:
    """A model from the first position on that a patch can change; what stands before runs once."""

    def __init__(self, model, tokens: Int[Tensor, "batch pos"], first: int):
        self.model, self.tokens, self.first, self.past = model, tokens, 0, []
        if first and model.tokenizer is not None:
            _, cache = model(tokens[:, :first], use_cache=True, return_type="logits_and_cache")
            self.past = [(layer.keys, layer.values) for layer in cache.layers]
            self.first = first

    def run(self, copies: int) -> Float[Tensor, "row pos d_vocab"]:
        """The logits from position `first` on, of all prompts `copies` times."""
        tokens = self.tokens[:, self.first :].repeat(copies, 1)
        if not self.past:
            return self.model(tokens)
        past = DynamicCache()
        for layer, pair in enumerate(self.past):
            past.update(*(each.repeat(copies, 1, 1, 1) for each in pair), layer)
        return self.model(tokens, past_key_values=past)


@guarded(edge_sets=filled, batch_size=count())
@torch.no_grad()
def patched_edges(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    edge_sets: Sequence[Collection[Edge] | Bool[Tensor, "writer reader"]],
    metric: Metric,
    batch_size: int = 64,
) -> Float[Tensor, "set batch"]:
    """The metric of the run on `tokens`, once for each set, with all edges of the set patched.

    A patched reader's input is rebuilt before its norm: what the writer writes in this very run is
    taken out, and what it wrote in the source run is put in. Other readers of that writer see no
    change; what follows from the change does flow on.

    Args:
        tokens: the run that is patched.
        source: tokens of the other run, position by position of the same meaning.
        edge_sets: sets of edges, each a collection of pairs, or True where an edge is patched; the
            empty set gives the plain run.
        metric: logits to one number for each prompt; reads the last position.
        batch_size: at most so many rows in one forward pass.

    Raises:
        ValueError: an edge is not in `graph(model)`; the two runs do not fit together or are
            padded, a hook is at work, or the metric is not one number for each prompt.
    """
    check_runs(model, tokens, source)
    the = graph(model)
    masks = [_mask(the, edges) for edges in edge_sets]
    rest = _Rest(model, tokens, _first(tokens, source))
    _, there = model.run_with_cache(source, names_filter=edge_hooks(model))
    wrote = written(model, there)[:, :, rest.first :]
    batch, per_pass, values = len(tokens), max(1, batch_size // len(tokens)), []
    for start in range(0, len(masks), per_pass):
        chunk = torch.stack(masks[start : start + per_pass])
        with model.hooks(fwd_hooks=_edge_hooks(model, the, chunk.to(wrote.device), wrote)):
            logits = rest.run(len(chunk))
        values += [
            scored(metric, piece, "the metric", f"on set {start + i}")
            for i, piece in enumerate(logits.split(batch))
        ]
    return torch.stack(values)


@guarded(source=_second_run, sizes=filled, batch_size=count())
def faithfulness(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    scores: Float[Tensor, "writer reader"],
    sizes: Sequence[int],
    metric: Metric,
    batch_size: int = 64,
) -> Float[Tensor, "size batch"]:
    """The share of the gap that is left when only the edges with the largest scores are kept.

    All others are patched. The gap is the mean metric of the run on `tokens` minus that with every
    edge patched, so that the mean over prompts is 0 without an edge and 1 for the whole model.

    Args:
        scores: ranked by size, whatever their sign.
        sizes: how many edges are kept.

    Raises:
        ValueError: the graph has not so many edges, or what `patched_edges` refuses.
    """
    the = graph(model)
    the.score_of(scores)  # refuses another shape
    if max(sizes) > the.allowed.sum() or min(sizes) < 0:
        raise ValueError(f"`sizes` are {list(sizes)}, and there are {the.allowed.sum()} edges.")
    order = scores.detach().cpu().abs().masked_fill(~the.allowed, -1).flatten()
    order = order.argsort(descending=True, stable=True)
    sets = [the.allowed, torch.zeros_like(the.allowed)]
    for size in sizes:
        kept = torch.zeros(order.shape, dtype=torch.bool)
        kept[order[:size]] = True
        sets.append(the.allowed & ~kept.view_as(the.allowed))
    settings = {"source": source, "metric": metric, "batch_size": batch_size}
    none, whole, *values = patched_edges(model, tokens, edge_sets=sets, **settings)
    return (torch.stack(values) - none) / (whole - none).mean()


def shuffled_scores(
    the: Graph, scores: Float[Tensor, "writer reader"], *, generator: torch.Generator
) -> Float[Tensor, "writer reader"]:
    """The same scores, dealt out anew among the edges from one layer into one layer.

    A control for a ranking: as many high scores between any two layers, at random edges.

    Args:
        generator: of the shuffles.

    Raises:
        ValueError: the scores are not [writer, reader] of this graph.
    """
    the.score_of(scores)  # refuses another shape
    out, places = scores.detach().cpu().clone(), {}
    layers = [
        [re.findall(r"\d+", name)[:1] for name in ends] for ends in (the.writers, the.readers)
    ]
    for w, r in the.allowed.nonzero().tolist():
        places.setdefault((*layers[0][w], "to", *layers[1][r]), []).append((w, r))
    for pairs in places.values():
        at = tuple(torch.tensor(pairs).T)
        out[at] = out[at][torch.randperm(len(pairs), generator=generator)]
    return out


def _mask(the: Graph, edges: Collection[Edge] | Tensor) -> Bool[Tensor, "writer reader"]:
    if isinstance(edges, Tensor):
        if edges.shape != the.allowed.shape or edges.dtype != torch.bool:
            raise ValueError(
                f"A set of edges is {edges.dtype} of shape {list(edges.shape)}: give booleans, "
                f"{list(the.allowed.shape)}, or a collection of pairs."
            )
        return edges.cpu() & the.allowed
    _check_edges(the, [edges])
    places = [{name: i for i, name in enumerate(ends)} for ends in (the.writers, the.readers)]
    mask = torch.zeros_like(the.allowed)
    for writer, reader in edges:
        mask[places[0][writer], places[1][reader]] = True
    return mask


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


def _edge_hooks(
    model,
    the: Graph,
    masks: Bool[Tensor, "set writer reader"],
    wrote: Float[Tensor, "writer batch pos d_model"],
) -> list:
    """Hooks for a run on all prompts once for each set."""
    n_sets, (_, batch, n_pos, d_model) = len(masks), wrote.shape
    used = masks.any(2).any(0).cpu()
    index = used.cumsum(0) - 1  # a writer's place among those that are used
    masks = masks[:, used].to(wrote.dtype)
    wrote = wrote[used]
    change = wrote.new_zeros(n_sets, len(wrote), batch * n_pos * d_model)
    writers = {name: i for i, name in enumerate(the.writers)}
    readers = {name: i for i, name in enumerate(the.readers)}
    done = {"n": 0}  # so many of the used writers have written
    live: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(value, hook):
            live[name] = value

        return hook

    def note(writer: str, own: Tensor) -> None:
        if used[writers[writer]]:
            place = int(index[writers[writer]])
            own = own.reshape(n_sets, batch, n_pos, d_model)
            change[:, place] = (wrote[place] - own).flatten(1)
            done["n"] = place + 1

    def embedded(value, hook):
        note("embed", value)

    def heads_wrote(layer: int):
        def hook(z, hook):
            for h in range(model.cfg.n_heads):
                if used[writers[f"L{layer}H{h}"]]:
                    note(f"L{layer}H{h}", z[:, :, h] @ model.blocks[layer].attn.W_O[h])

        return hook

    def mlp_wrote(layer: int):
        return lambda value, hook: note(f"MLP{layer}", value)

    def into(names: list[str]) -> Tensor:
        """What the patched edges add to the inputs of these readers, [reader, row, pos, d]."""
        mask = masks[:, : done["n"], [readers[name] for name in names]]
        added = mask.transpose(1, 2) @ change[:, : done["n"]]
        return added.transpose(0, 1).reshape(len(names), n_sets * batch, n_pos, d_model)

    def into_heads(layer: int, letter: str, chosen: list[tuple[int, str]]):
        block = model.blocks[layer]
        weight = getattr(block.attn, f"W_{letter.upper()}")[[h for h, _ in chosen]]

        def hook(value, hook):
            value, resid = value.clone(), live["resid"]
            norm = block.ln1.original_component
            moved = norm(resid + into([name for _, name in chosen])) - norm(resid)
            change_of = torch.einsum("hbpd,hde->bphe", moved, weight)
            value[:, :, [h for h, _ in chosen]] += change_of
            return value

        return hook

    def is_read(name: str) -> bool:
        return bool(masks[:, :, readers[name]].any())

    hooks = [("hook_embed", embedded)]
    for layer in range(model.cfg.n_layers):
        block = f"blocks.{layer}"
        hooks.append((f"{block}.ln1.hook_in", keep("resid")))
        for letter in "qkv":
            n, shared = (model.cfg.n_heads, False) if letter == "q" else (_n_kv(model), True)
            names = [
                f"{_key_value_name(model, layer, h) if shared else f'L{layer}H{h}'}.{letter}"
                for h in range(n)
            ]
            chosen = [(h, name) for h, name in enumerate(names) if is_read(name)]
            if chosen:
                hooks.append((f"{block}.attn.hook_{letter}", into_heads(layer, letter, chosen)))
        hooks.append((f"{block}.attn.hook_z", heads_wrote(layer)))
        if not model.cfg.attn_only:
            if is_read(f"MLP{layer}"):
                add = f"MLP{layer}"
                hooks.append((f"{block}.ln2.hook_in", lambda x, hook, to=add: x + into([to])[0]))
            hooks.append((f"{block}.hook_mlp_out", mlp_wrote(layer)))
    if is_read("logits"):
        hooks.append(("ln_final.hook_in", lambda x, hook: x + into(["logits"])[0]))
    return hooks


# ---- Pruning ------------------------------------------------------------------------------------


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


# ---- Circuits of heads --------------------------------------------------------------------------


@guarded(circuits=filled, batch_size=count())
def circuit_values(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    circuits: Sequence[Collection[Head]],
    metric: Metric,
    batch_size: int = 64,
) -> Float[Tensor, "circuit batch"]:
    """The metric of each prompt for each circuit, when all heads outside it give what they give in
    the source run. MLPs run as ever.

    Args:
        tokens: the run of the circuits.
        source: tokens of the other run, position by position of the same meaning.
        circuits: sets of heads.
        metric: logits to one number for each prompt; reads the last position.
        batch_size: at most so many rows in one forward pass.

    Raises:
        ValueError: the model has no such head, the two runs do not fit together or are padded, a
            hook is at work, or the metric does not return a number for each prompt.
    """
    values = _values_of_circuits(model, tokens, source, metric)
    per_pass = max(1, batch_size // len(tokens))
    return torch.cat(
        [values(circuits[i : i + per_pass]) for i in range(0, len(circuits), per_pass)]
    )


def metric_of_heads(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    metric: Metric,
) -> Callable[[Collection], float]:
    """Set of heads -> the mean metric when only these run, as in `circuit_values`. It remembers
    what it has measured."""
    values = _values_of_circuits(model, tokens, source, metric)

    @functools.cache
    def measured(circuit: frozenset) -> float:
        return values([circuit]).mean().item()

    return lambda circuit: measured(frozenset(circuit))


@torch.no_grad()
def _values_of_circuits(model, tokens, source, metric) -> Callable[[Sequence], Tensor]:
    """Circuits of one forward pass -> the metric, [circuit, batch]."""
    check_runs(model, tokens, source)
    rest = _Rest(model, tokens, _first(tokens, source))
    _, there = model.run_with_cache(source, names_filter=lambda name: name.endswith("hook_z"))
    other = [there["z", layer][:, rest.first :] for layer in range(model.cfg.n_layers)]
    batch = len(tokens)

    def hook_of(layer: int, chunk: list[dict[int, list[int]]]):
        def hook(z, hook):
            out = other[layer].repeat(len(chunk), 1, 1, 1)
            for piece, own, circuit in zip(out.split(batch), z.split(batch), chunk, strict=True):
                kept = circuit.get(layer, [])
                piece[:, :, kept] = own[:, :, kept]
            return out

        return hook

    @torch.no_grad()
    def values(circuits: Sequence[Collection[Head]]) -> Tensor:
        chunk = [by_layer(model, circuit) for circuit in circuits]
        hooks = [(f"blocks.{i}.attn.hook_z", hook_of(i, chunk)) for i in range(len(other))]
        with model.hooks(fwd_hooks=hooks):
            pieces = rest.run(len(chunk)).split(batch)
        return torch.stack(
            [
                scored(metric, piece, "the metric", f"on circuit {i}")
                for i, piece in enumerate(pieces)
            ]
        )

    return values


def _within(other: str) -> Guard:
    """Parts that are all in another argument."""

    def guard(value: Collection, given: Mapping) -> str | None:
        odd = set(value) - set(given[other])
        return f"holds {min(odd, key=str)!r}, which is not in `{other}`" if odd else None

    return guard


@guarded(circuit=filled, tries=filled)
def minimality(
    metric_of: Callable[[Collection], float],
    circuit: Collection[Hashable],
    tries: Sequence[Collection[Hashable]],
) -> dict:
    """Part v of the circuit C -> the largest |F(C without K and v) - F(C without K)| over tries K.

    Source: Wang et al., 2022 (arXiv 2211.00593).

    Args:
        metric_of: F, the metric when only these parts run.
        circuit: the parts of C.
        tries: sets K of parts; the part in question never counts as a member of K.
    """
    largest = {}
    for part in circuit:
        changes = []
        for gone in tries:
            left = set(circuit) - set(gone) - {part}
            changes.append(abs(metric_of(left | {part}) - metric_of(left)))
        largest[part] = max(changes)
    return largest


def _at_most(other: str) -> Guard:
    """A number of parts of another argument."""

    def guard(value: int, given: Mapping) -> str | None:
        top = len(set(given[other]))
        return None if value <= top else f"is {value}: give at most {top}, as many as `{other}` has"

    return guard


@guarded(everything=filled, circuit=_within("everything"), size=(count(), _at_most("circuit")))
def worst_removal(
    metric_of: Callable[[Collection], float],
    circuit: Collection[Hashable],
    everything: Collection[Hashable],
    *,
    size: int,
) -> list:
    """A set K of the circuit's parts whose loss makes circuit C and whole model M differ much.

    Greedy: each time the part that makes |F(M without K) - F(C without K)| largest joins K. Source:
    Wang et al., 2022 (arXiv 2211.00593).

    Args:
        metric_of: F, the metric when only these parts run.
        circuit: the parts of C.
        everything: the parts of M.
        size: how many parts K gets.

    Returns:
        The parts of K, in the order in which they joined.
    """
    removed = []

    def difference(part) -> float:
        gone = {*removed, part}
        return abs(metric_of(set(everything) - gone) - metric_of(set(circuit) - gone))

    for _ in range(size):
        left = [part for part in circuit if part not in removed]
        removed.append(max(left, key=difference))
    return removed
