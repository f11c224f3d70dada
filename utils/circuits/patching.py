"""Sweeps of activation patching: put an activation of one run into another, everywhere in turn.

One patch by itself, for a hook of one's own, is in `utils.circuits.patches`. A sweep asks the same
question of every head, or of every layer and position: if *this* activation were what it is in the
source run, how would the metric change? TransformerLens's `transformer_lens.patching` answers it
with one whole forward pass a patch. `sweep` gives the same numbers with less work:

- a patched run starts at the patched layer, from the residual stream of the unpatched run;
- it starts at the first position that the patch can change, with the unpatched keys and values
  of the positions before;
- patches that start at the same position run together, and each joins at its own layer;
- the metric's positions alone are unembedded, and what comes after them is never computed.

Sources: Vig et al., 2020 (arXiv 2004.12265), Meng et al., 2022 (arXiv 2202.05262); path patching
from Wang et al., 2022 (arXiv 2211.00593); practice in Heimersheim and Nanda, 2024 (arXiv
2404.15255).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.std import tqdm

Metric = Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, " batch"]]
"""Logits to one number for each prompt."""

HOOKS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "z": "attn.hook_z",
    "pattern": "attn.hook_pattern",
}
"""What can be patched, and its hook's name behind `blocks.L.`. From "q" on it is patched head by
head; "k" and "v" have key-value heads, which are fewer where query heads share them."""

_BY_HEAD = ("q", "k", "v", "z", "pattern")


@dataclass(frozen=True)
class Sweep:
    """What a sweep measured.

    Attributes:
        values: the metric's mean after each patch, [layer, head], [layer, pos] or
            [layer, pos, head].
        base: the same on the unpatched run.
        source: the same on the run that the activations came from; None where they were given as
            activations.
    """

    values: Float[Tensor, "layer ..."]
    base: float
    source: float | None

    @property
    def effect(self) -> Float[Tensor, "layer ..."]:
        """How far each patch moves the metric: `values - base`, in the metric's unit."""
        return self.values - self.base

    @property
    def restored(self) -> Float[Tensor, "layer ..."]:
        """The share of the way from the unpatched run (0) to the source run (1).

        Raises:
            ValueError: there is no such way: the two runs score the same, or there is one run only.
        """
        if self.source is None:
            raise ValueError("These activations come from no run: use `effect`.")
        if abs(self.source - self.base) < 1e-6:
            raise ValueError(
                f"Both runs score {self.base:.3g} on this metric, so no share can be taken: choose "
                "a corruption that changes the metric."
            )
        return self.effect / (self.source - self.base)


class _Patch(NamedTuple):
    cell: tuple[int, ...]  # where its result goes
    layer: int  # where its run begins
    start: int  # the first position that it can change
    pos: int | None = None  # None: all positions
    head: int | None = None


# The hooks of a layer, given that layer and the patches whose rows have joined by then.
_Edits = Callable[[int, Sequence[_Patch]], list[tuple[str, Callable]]]


def sweep(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"] | Mapping[int, Tensor],
    metric: Metric | Mapping[str, Metric],
    *,
    what: str = "z",
    by_position: bool | None = None,
    positions: Sequence[int] = (-1,),
    memory_mb: float = 28.0,
    progress: bool = True,
) -> Sweep | dict[str, Sweep]:
    """Patches one activation after another from `source` into the run on `tokens`.

    With `tokens` corrupted and `source` clean this is denoising; the other way round, noising.

    Args:
        model: a TransformerBridge, with no other hooks at work.
        tokens: the run that is patched; no padding.
        source: the run that the activations come from, as tokens that stand beside `tokens` one by
            one. Or the activations themselves: for every layer a tensor that broadcasts to the
            activation. Zeros or a mean make the sweep an ablation of each in turn.
        metric: takes the logits at `positions`, [batch, len(positions), d_vocab], and returns one
            number for each prompt, [batch]; the sweep takes the mean. Or several by name; then the
            result is a dictionary with the same names.
        what: a key of `HOOKS`.
        by_position: one position at a time, or all together. By default the residual stream and
            the outputs of layers go by position, and heads do not.
        positions: those whose logits the metric reads; negative ones count from the end.
        memory_mb: MB that the patched runs may take at a time, beside the model, the two unpatched
            runs and what the metric uses. One patch always runs.
        progress: whether to show a bar.

    Returns:
        The metric after each patch; see `Sweep`.

    Raises:
        ValueError: the two runs do not fit together, there is nothing to patch, `what` or a
            position is not there, or the metric does not return a number for each prompt.
        NotImplementedError: behind its last block the model does more than norm and unembed.
    """
    hook = _hook_name(model, what)
    _check_tokens(model, tokens)
    if not isinstance(source, Mapping):
        _check_pair(tokens, source)
    tokens, (n_pos, positions) = tokens.to(model.cfg.device), _counted(tokens, positions)
    by_position = what not in _BY_HEAD if by_position is None else by_position
    with torch.no_grad():
        base = _Run(model, tokens[:, :n_pos], positions, hook)
        if isinstance(source, Mapping):
            values, source_logits, first = _broadcast(source, base.shapes, what), None, 0
        else:
            source = source.to(tokens.device)[:, :n_pos]
            values, source_logits = _activations(model, source, positions, hook)
            first = _first_difference(tokens[:, :n_pos], source)
        _check_finite(values, what)
        patches = _patches(base, what, by_position, first)
        return _measure(
            base,
            patches,
            _put(base, values, what),
            metric,
            source_logits,
            shape=[len(base.kwargs), *_axes(base, what, by_position)],
            memory_mb=memory_mb,
            label=f"patching {what}" if progress else None,
        )


def path_sweep(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    metric: Metric | Mapping[str, Metric],
    *,
    receivers: Sequence[tuple[int, int]],
    into: str = "q",
    positions: Sequence[int] = (-1,),
    memory_mb: float = 28.0,
    progress: bool = True,
) -> Sweep | dict[str, Sweep]:
    """Patches each head's output along its direct paths into `receivers` alone.

    The receivers read the residual stream as if that one head had written what it writes in
    `source`. Everybody else, the heads and MLPs between them too, reads what `tokens` gives.
    TransformerLens has this for one sender and one receiver at a time, as
    `patching.get_act_patch_direct_path`. Source: Wang et al., 2022 (arXiv 2211.00593), who let the
    MLPs between pass the change on.

    Args:
        model, tokens, source, metric, positions, memory_mb, progress: as for `sweep`.
        receivers: (layer, head) of the heads that read. For "k" and "v", the key-value head.
        into: the input that is changed: "q", "k" or "v".

    Returns:
        The metric for each sender, [layer, head]. Layers from the last receiver's on cannot send:
        their cells hold the unpatched metric.

    Raises:
        ValueError: as for `sweep`; or a receiver or `into` is not there.
        NotImplementedError: this kind of model has no inputs of single heads (TransformerLens's
            native models).
    """
    hook = _hook_name(model, "z")
    _check_tokens(model, tokens)
    _check_pair(tokens, source)
    tokens, (n_pos, positions) = tokens.to(model.cfg.device), _counted(tokens, positions)
    reads = _receivers(model, receivers, into)
    with torch.no_grad():
        source = source.to(tokens.device)[:, :n_pos]
        base = _Run(model, tokens[:, :n_pos], positions, hook)
        own, _ = _activations(model, tokens[:, :n_pos], positions, hook)
        other, source_logits = _activations(model, source, positions, hook)
        _check_finite(other, "z")
        start = _first_difference(tokens[:, :n_pos], source) if base.past else 0
        n_heads = base.shapes[0][2]
        patches = [
            # The run begins at the first receiver that stands behind the sender.
            _Patch((layer, head), min(r for r in reads if r > layer), start, None, head)
            for layer in range(max(reads))
            for head in range(n_heads)
        ]
        patches.sort(key=lambda patch: patch.layer)
        change = {layer: (other[layer] - own[layer])[:, start:] for layer in range(max(reads))}
        return _measure(
            base,
            patches,
            _add_to_inputs(base, change, reads, into),
            metric,
            source_logits,
            shape=[len(base.kwargs), n_heads],
            memory_mb=memory_mb,
            label=f"paths into {into}" if progress else None,
        )


def _measure(
    base: "_Run",
    patches: Sequence[_Patch],
    edits: _Edits,
    metric: Metric | Mapping[str, Metric],
    source_logits: Float[Tensor, "batch pos d_vocab"] | None,
    *,
    shape: Sequence[int],
    memory_mb: float,
    label: str | None,
) -> Sweep | dict[str, Sweep]:
    """Runs the patches and scores them. Cells without a patch hold the unpatched metric."""
    metrics = dict(metric) if isinstance(metric, Mapping) else {"the metric": metric}
    plain = _scores(metrics, base.logits, "on the unpatched run")
    source = None
    if source_logits is not None:
        source = _scores(metrics, source_logits, "on the source run")
    values = {name: torch.full(tuple(shape), score) for name, score in plain.items()}
    with tqdm(total=len(patches), desc=label, disable=label is None, leave=False) as bar:
        for chunk in _chunks(patches, base, memory_mb):
            for patch, logits in zip(chunk, base.patched(chunk, edits, memory_mb), strict=True):
                scores = _scores(metrics, logits, f"after the patch at {list(patch.cell)}")
                for name, score in scores.items():
                    values[name][patch.cell] = score
            del logits  # a view of many patches' logits: the next chunk needs the memory
            bar.update(len(chunk))
    found = {name: Sweep(values[name], plain[name], source and source[name]) for name in metrics}
    return found if isinstance(metric, Mapping) else found["the metric"]


class _Run:
    """One unpatched run, and how to go on from any of its layers and positions."""

    def __init__(
        self, model, tokens: Int[Tensor, "batch pos"], positions: Sequence[int], hook: str
    ):
        self.model, self.positions = model, list(positions)
        self.n_prompts, self.n_pos = tokens.shape
        self.resid: list[Tensor] = []  # what enters each block, and what leaves the last
        self.kwargs: list[dict[str, Any]] = []  # what each block is called with beside it
        self.shapes: dict[int, torch.Size] = {}  # of the hook's activation in each layer
        self.hook = hook

        def entry(block, args, kwargs):
            self.resid.append(args[0] if args else kwargs["hidden_states"])
            self.kwargs.append({k: v for k, v in kwargs.items() if k != "hidden_states"})

        def leave(block, args, out):
            self.resid.append(_tensor(out))

        def note_shape(activation, hook):
            self.shapes[hook.layer()] = activation.shape

        handles = [b.register_forward_pre_hook(entry, with_kwargs=True) for b in model.blocks]
        handles.append(model.blocks[-1].register_forward_hook(leave))
        names = [(f"blocks.{layer}.{hook}", note_shape) for layer in range(len(model.blocks))]
        try:
            with model.hooks(fwd_hooks=names):
                logits, cache = model(tokens, use_cache=True, return_type="logits_and_cache")
        finally:
            for handle in handles:
                handle.remove()
        self.logits = logits[:, self.positions].clone()
        self.past = _keys_and_values(cache, self.n_pos)
        own = self._unembed(self.resid[-1][:, self.positions])
        near = 1e-3 if self.logits.dtype is torch.float else 0.05
        if not torch.allclose(own, self.logits, rtol=near, atol=near):
            raise NotImplementedError(
                "Behind its last block this model does more than norm and unembed, which a sweep "
                "would leave out: use `transformer_lens.patching` for it."
            )

    def patched(
        self, chunk: Sequence[_Patch], edits: _Edits, memory_mb: float
    ) -> Iterator[Float[Tensor, "batch pos d_vocab"]]:
        """The logits at `positions` after each patch of a chunk: one start, sorted by layer."""
        start, resid, joined = chunk[0].start, None, 0
        for layer in range(chunk[0].layer, len(self.kwargs)):
            joining = sum(patch.layer == layer for patch in chunk)
            if joining:
                fresh = self.resid[layer][:, start:].repeat(joining, 1, 1)
                resid = fresh if resid is None else torch.cat([resid, fresh])
                joined += joining
            resid = self._block(layer, resid, start, edits(layer, chunk[:joined]))
        final = self.resid[-1][:, self.positions].repeat(len(chunk), 1, 1)
        for i, pos in enumerate(self.positions):
            if pos >= start:
                final[:, i] = resid[:, pos - start]
        at_once = max(1, int(memory_mb * 1e6 / (self.logits.numel() * self.logits.element_size())))
        for rows in final.split(at_once * self.n_prompts):
            yield from self._unembed(rows).unflatten(0, (-1, self.n_prompts))

    def _block(self, layer: int, resid: Tensor, start: int, hooks: list) -> Tensor:
        """One block on the positions from `start` on."""
        kwargs = {name: _from(start, name, value) for name, value in self.kwargs[layer].items()}
        kwargs["past_key_values"] = None
        if start:
            kwargs["past_key_values"] = _Before(self.past[layer], start)
        # Heads read through inputs of their own only while one is edited: that costs memory.
        split = any(name.endswith("_input") for name, _ in hooks)
        split_inputs = _split_inputs(self.model) if split else nullcontext()
        block = self.model.blocks[layer]
        with split_inputs, self.model.hooks(fwd_hooks=hooks), _in_onednn(block):
            return _tensor(block(resid, **kwargs))

    def _unembed(self, resid: Float[Tensor, "row pos d_model"]) -> Float[Tensor, "row pos d_vocab"]:
        return self.model.unembed(self.model.ln_final(resid))

    def bytes_of_patch(self, start: int) -> int:
        """About what one patch takes in a block at most: in its attention or in its MLP."""
        cfg, n_queries = self.model.cfg, self.n_pos - start
        heads = cfg.n_heads * cfg.d_head
        attention = 4 * n_queries * heads + 4 * self.n_pos * heads
        attention += 3 * cfg.n_heads * n_queries * self.n_pos
        mlp = 3 * n_queries * (cfg.d_mlp or 0)
        floats = 2 * n_queries * cfg.d_model + max(attention, mlp)
        return self.n_prompts * floats * self.logits.element_size()


class _Before:
    """The unpatched keys and values of one layer before `start`, as attention asks for a cache."""

    def __init__(self, keys_and_values: tuple[Tensor, Tensor], start: int):
        self.before = [part[:, :, :start] for part in keys_and_values]

    def update(self, keys: Tensor, values: Tensor, *_, **__) -> tuple[Tensor, Tensor]:
        copies = len(keys) // len(self.before[0])
        return tuple(
            torch.cat([before.repeat(copies, 1, 1, 1), new], dim=2)
            for before, new in zip(self.before, (keys, values), strict=True)
        )


@contextmanager
def _in_onednn(block: torch.nn.Module) -> Iterator[None]:
    """Within it, a block's products run in oneDNN, which on processors that MKL does not favour
    is twice as fast. It wants weights in an order of its own: a copy for each product."""
    linears = [m for m in block.modules() if isinstance(m, torch.nn.Linear)] if has_onednn() else []
    linears = [
        m for m in linears if m.weight.device.type == "cpu" and m.weight.dtype is torch.float
    ]
    for linear in linears:
        linear.forward = partial(_onednn_linear, linear.weight.detach(), linear.bias)
    try:
        yield
    finally:
        for linear in linears:
            del linear.forward  # the class's own again


def _onednn_linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    ordered = torch.ops.mkldnn._reorder_linear_weight(weight)
    return torch.ops.mkldnn._linear_pointwise(x, ordered, bias, "none", [], "")


@cache
def has_onednn() -> bool:
    """Whether torch has oneDNN's product, as its compiler uses it, and it works here."""
    x, linear = torch.ones(2, 3), torch.nn.Linear(3, 4)
    try:
        with torch.no_grad():
            got = _onednn_linear(linear.weight, linear.bias, x)
            return torch.allclose(got, linear(x), atol=1e-5)
    except (AttributeError, RuntimeError, TypeError):
        return False


@contextmanager
def _split_inputs(model) -> Iterator[None]:
    """Within it, each head reads queries, keys and values through inputs of its own."""
    was_on = bool(getattr(model.cfg, "use_split_qkv_input", False))
    model.set_use_split_qkv_input(True)
    try:
        yield
    finally:
        model.set_use_split_qkv_input(was_on)


def _tensor(out: Tensor | tuple) -> Tensor:
    return out if isinstance(out, Tensor) else out[0]


def _from(start: int, name: str, value: Any) -> Any:
    """A block's keyword argument for the positions from `start` on and for any number of rows.

    Without padding each row has the same masks and positions, so the first row stands for all.
    """
    if isinstance(value, tuple):
        return tuple(_from(start, name, part) for part in value)
    if not isinstance(value, Tensor):
        return value
    if name == "attention_mask" and value.ndim == 4:
        return value[:1, :, start:]
    if name in ("position_ids", "position_embeddings"):
        return value[:1, start:]
    return value[start:] if name == "cache_position" else value[:1]


def _keys_and_values(cache: Any, n_pos: int) -> list[tuple[Tensor, Tensor]] | None:
    """Each layer's keys and values, or None where the model keeps none or not all of them."""
    layers = getattr(cache, "layers", [])
    past = [(layer.keys, layer.values) for layer in layers]
    return past if past and all(keys.shape[2] == n_pos for keys, _ in past) else None


def _patches(base: _Run, what: str, by_position: bool, first: int) -> list[_Patch]:
    """Every patch that can change something, those of one start together, sorted by layer.

    Before `first` the two runs are the same, and so are their activations.
    """
    heads = range(base.shapes[0][_head_axis(what)]) if what in _BY_HEAD else [None]
    positions = range(first, base.n_pos) if by_position else [None]
    return [
        _Patch(
            tuple(i for i in (layer, pos, head) if i is not None),
            layer,
            (first if pos is None else pos) if base.past else 0,
            pos,
            head,
        )
        for pos in positions
        for layer in range(len(base.kwargs))
        for head in heads
    ]


def _axes(base: _Run, what: str, by_position: bool) -> list[int]:
    heads = [base.shapes[0][_head_axis(what)]] if what in _BY_HEAD else []
    return ([base.n_pos] if by_position else []) + heads


def _head_axis(what: str) -> int:
    return 1 if what == "pattern" else 2  # [batch, head, query, key] or [batch, pos, head, d_head]


def _chunks(patches: Sequence[_Patch], base: _Run, memory_mb: float) -> Iterator[list[_Patch]]:
    for start, group in groupby(patches, key=lambda patch: patch.start):
        group = sorted(group, key=lambda patch: patch.layer)
        size = max(1, int(memory_mb * 1e6 / base.bytes_of_patch(start)))
        for i in range(0, len(group), size):
            yield group[i : i + size]


def _put(base: _Run, values: Mapping[int, Tensor], what: str) -> _Edits:
    """Each patch puts the source's activation into its own rows, in its layer."""

    def edits(layer: int, joined: Sequence[_Patch]) -> list:
        if joined[-1].layer != layer:
            return []

        def edit(activation: Tensor, hook) -> Tensor:
            for i, patch in enumerate(joined):
                if patch.layer == layer:
                    rows = slice(i * base.n_prompts, (i + 1) * base.n_prompts)
                    # In place: the block may read this very tensor elsewhere, as it does the
                    # residual stream in its middle.
                    activation[rows][_index(patch, what, patch.start)] = values[layer][
                        _index(patch, what, 0)
                    ]
            return activation

        return [(f"blocks.{layer}.{base.hook}", edit)]

    return edits


def _index(patch: _Patch, what: str, start: int) -> tuple:
    """Where the patch stands in an activation that begins at position `start`."""
    whole = slice(patch.start - start, None)
    positions = whole if patch.pos is None else patch.pos - start
    if what == "pattern":
        return (slice(None), patch.head, positions)
    return (slice(None), positions) if patch.head is None else (slice(None), positions, patch.head)


def _add_to_inputs(
    base: _Run, change: Mapping[int, Tensor], reads: Mapping[int, Sequence[int]], into: str
) -> _Edits:
    """Each patch adds what its sender would write otherwise to what the receivers read."""

    def edits(layer: int, joined: Sequence[_Patch]) -> list:
        if layer not in reads:
            return []

        def edit(inputs: Tensor, hook) -> Tensor:
            inputs = inputs.clone()
            for i, patch in enumerate(joined):
                sender, head = patch.cell
                if sender < layer:
                    rows = slice(i * base.n_prompts, (i + 1) * base.n_prompts)
                    write = change[sender][:, :, head] @ base.model.blocks[sender].attn.W_O[head]
                    inputs[rows][:, :, list(reads[layer])] += write[:, :, None]
            return inputs

        return [(f"blocks.{layer}.hook_{into}_input", edit)]

    return edits


def _activations(
    model, tokens: Int[Tensor, "batch all_pos"], positions: Sequence[int], hook: str
) -> tuple[dict[int, Tensor], Float[Tensor, "batch pos d_vocab"]]:
    """Layer -> the hook's activation, and the logits at `positions`."""
    logits, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith(hook))
    layers = range(len(model.blocks))
    return {i: cache[f"blocks.{i}.{hook}"] for i in layers}, logits[:, list(positions)].clone()


def _broadcast(
    source: Mapping[int, Tensor], shapes: Mapping[int, torch.Size], what: str
) -> dict[int, Tensor]:
    if set(source) != set(shapes):
        raise ValueError(
            f"Activations are given for {len(source)} layers; give one for each layer from 0 to "
            f"{len(shapes) - 1}."
        )
    try:
        return {layer: source[layer].expand(shape) for layer, shape in shapes.items()}
    except RuntimeError:
        raise ValueError(
            f"The activations given do not broadcast to {what!r}, which is {list(shapes[0])}."
        ) from None


def _scores(metrics: Mapping[str, Metric], logits: Tensor, when: str) -> dict[str, float]:
    scores = {}
    for name, metric in metrics.items():
        score = metric(logits)
        if not isinstance(score, Tensor) or score.shape != logits.shape[:1]:
            got = (
                f"shape {list(score.shape)}" if isinstance(score, Tensor) else type(score).__name__
            )
            raise ValueError(
                f"{name} must return one number for each of the {len(logits)} prompts, and returns "
                f"{got}."
            )
        scores[name] = float(score.mean())
        if not torch.isfinite(torch.tensor(scores[name])):
            raise ValueError(f"{name} is {scores[name]} {when}: does it divide by 0 or take log 0?")
    return scores


def _hook_name(model, what: str) -> str:
    there = [name for name, hook in HOOKS.items() if f"blocks.0.{hook}" in model.hook_dict]
    if what not in there:
        raise ValueError(f"There is no {what!r} to patch; this model has {', '.join(there)}.")
    return HOOKS[what]


def _check_tokens(model, tokens: Tensor) -> None:
    if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.is_floating_point():
        raise ValueError("`tokens` must be token ids, [batch, pos], as `model.to_tokens` gives.")
    if not tokens.numel():
        raise ValueError(f"`tokens` is empty ({list(tokens.shape)}): give at least one prompt.")
    if model.training:
        raise ValueError("The model is in training mode: call `model.eval()` first.")


def _check_pair(tokens: Tensor, source: Tensor) -> None:
    if tokens.shape != source.shape:
        raise ValueError(
            f"`tokens` is {list(tokens.shape)} and `source` {list(source.shape)}: a patch goes "
            "from a position to the same position, so both need as many prompts and tokens. Choose "
            "words of equally many tokens."
        )


def _check_finite(values: Mapping[int, Tensor], what: str) -> None:
    for layer, value in values.items():
        if not value.isfinite().all():
            raise ValueError(f"{what!r} of the source holds NaN or infinity in layer {layer}.")


def _first_difference(tokens: Tensor, source: Tensor) -> int:
    differ = (tokens != source).any(0)
    if not differ.any():
        raise ValueError(
            "`tokens` and `source` are the same up to the last position that the metric reads, so "
            "no patch can change anything."
        )
    return int(differ.int().argmax())


def _counted(tokens: Tensor, positions: Sequence[int]) -> tuple[int, list[int]]:
    """How many positions have to be computed, and the given ones counted from the start."""
    n_pos = tokens.shape[1]
    if not positions or not all(-n_pos <= pos < n_pos for pos in positions):
        raise ValueError(
            f"`positions` is {list(positions)}; name some from {-n_pos} to {n_pos - 1}."
        )
    positions = [pos % n_pos for pos in positions]
    return max(positions) + 1, positions


def _receivers(model, receivers: Sequence[tuple[int, int]], into: str) -> dict[int, list[int]]:
    """Layer -> the heads that read there."""
    if into not in ("q", "k", "v"):
        raise ValueError(f"A head reads through 'q', 'k' or 'v', and not {into!r}.")
    n_heads = model.cfg.n_heads
    if into != "q":
        n_heads = getattr(model.cfg, "n_key_value_heads", None) or n_heads
    reads: dict[int, list[int]] = {}
    for layer, head in receivers:
        if not (0 < layer < model.cfg.n_layers and 0 <= head < n_heads):
            raise ValueError(
                f"({layer}, {head}) cannot receive into {into!r}: layers go from 1 to "
                f"{model.cfg.n_layers - 1} here, and heads from 0 to {n_heads - 1}."
            )
        reads.setdefault(layer, []).append(head)
    if not reads:
        raise ValueError("`receivers` is empty: name at least one (layer, head).")
    return reads
