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
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.std import tqdm
from transformer_lens.hook_points import HookPoint

from utils.guards import guarded, number, unpadded
from utils.heads import by_layer

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

BY_HEAD = ("q", "k", "v", "z", "pattern")
"""What is patched head by head."""
_SENDERS = ("z", "attn_out", "mlp_out")


@dataclass(frozen=True)
class Sweep:
    """What a sweep measured, prompt by prompt; its properties take means over the prompts.

    The standard errors take the prompts for independent draws. Where they are not (prompts that
    share a name, or a pair made of each other) give `by_prompt` to `utils.stats.bootstrap` with
    `groups`.

    Attributes:
        by_prompt: the metric after each patch, [layer, head, batch], [layer, pos, batch] or
            [layer, pos, head, batch].
        base_by_prompt: the same on the unpatched run.
        source_by_prompt: the same on the run that the activations came from; None where they were
            given as activations.
    """

    by_prompt: Float[Tensor, "layer ... batch"]
    base_by_prompt: Float[Tensor, " batch"]
    source_by_prompt: Float[Tensor, " batch"] | None

    @property
    def values(self) -> Float[Tensor, "layer ..."]:
        """The metric's mean after each patch."""
        return _mean(self.by_prompt)

    @property
    def base(self) -> float:
        """The metric's mean on the unpatched run."""
        return _mean(self.base_by_prompt).item()

    @property
    def source(self) -> float | None:
        """The metric's mean on the source run, where there is one."""
        return None if self.source_by_prompt is None else _mean(self.source_by_prompt).item()

    @property
    def effect(self) -> Float[Tensor, "layer ..."]:
        """How far each patch moves the metric: `values - base`, in the metric's unit."""
        return _mean(self._moved)

    @property
    def standard_error(self) -> Float[Tensor, "layer ..."]:
        """Of `effect`, paired: from the spread over prompts of value minus base.

        Raises:
            ValueError: there is one prompt only.
        """
        return _standard_error(self._moved)

    @property
    def restored(self) -> Float[Tensor, "layer ..."]:
        """The share of the way from the unpatched run (0) to the source run (1).

        It is the ratio of the mean effect to the mean way, not the mean of the prompts' ratios.

        Raises:
            ValueError: there is no such way: the two runs score the same, or there is one run only.
        """
        return self.effect / _mean(self._way)

    @property
    def restored_standard_error(self) -> Float[Tensor, "layer ..."]:
        """Of `restored`, by the delta method for a ratio of paired means.

        Raises:
            ValueError: as for `restored`; or there is one prompt only.
        """
        rest = self._moved - self.restored[..., None] * self._way
        return _standard_error(rest) / _mean(self._way).abs()

    @property
    def _moved(self) -> Float[Tensor, "layer ... batch"]:
        return self.by_prompt - self.base_by_prompt

    @property
    def _way(self) -> Float[Tensor, " batch"]:
        if self.source_by_prompt is None:
            raise ValueError("These activations come from no run: use `effect`.")
        way = self.source_by_prompt - self.base_by_prompt
        if abs(_mean(way)) < 1e-6:
            raise ValueError(
                f"Both runs score {self.base:.3g} on this metric, so no share can be taken: choose "
                "a corruption that changes the metric."
            )
        return way


def _mean(by_prompt: Float[Tensor, "... batch"]) -> Float[Tensor, "..."]:
    return by_prompt.double().mean(-1).float()


def _standard_error(by_prompt: Float[Tensor, "... batch"]) -> Float[Tensor, "..."]:
    n_prompts = by_prompt.shape[-1]
    if n_prompts < 2:
        raise ValueError("One prompt has no spread: give at least two for a standard error.")
    return (by_prompt.double().std(-1) / n_prompts**0.5).float()


class _Patch(NamedTuple):
    cell: tuple[int, ...]  # where its result goes
    layer: int  # where its run begins
    start: int  # the first position that it can change
    pos: int | None = None  # None: all positions
    head: int | None = None


# The hooks of a layer, given that layer and the patches whose rows have joined by then.
_Edits = Callable[[int, Sequence[_Patch]], list[tuple[str, Callable]]]


@guarded(memory_mb=number(low=0, over=True))
def sweep(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"] | Mapping[int, Tensor],
    metric: Metric | Mapping[str, Metric],
    *,
    what: str = "z",
    layers: Sequence[int] | None = None,
    by_position: bool | None = None,
    positions: Sequence[int] = (-1,),
    memory_mb: float = 64.0,
    progress: bool = True,
) -> Sweep | dict[str, Sweep]:
    """Patches one activation after another from `source` into the run on `tokens`.

    With `tokens` corrupted and `source` clean this is denoising; the other way round, noising.

    Args:
        model: a TransformerBridge in evaluation mode, with no hooks at work.
        tokens: the run that is patched; no padding.
        source: the run that the activations come from, as tokens that stand beside `tokens` one by
            one. Or the activations themselves: for every layer a tensor that broadcasts to the
            activation. Zeros or a mean make the sweep an ablation of each in turn.
        metric: takes the logits at `positions`, [batch, len(positions), d_vocab], and returns one
            number for each prompt, [batch]. Or several by name; then the result is a dictionary
            with the same names.
        what: a key of `HOOKS`.
        layers: patch in these alone; the cells of the others hold the unpatched metric. By default
            all of them.
        by_position: one position at a time, or all together. By default the residual stream and
            the outputs of layers go by position, and heads do not.
        positions: those whose logits the metric reads; negative ones count from the end.
        memory_mb: about how many MB of resident memory, as a laptop's monitor counts it, that the
            patched runs may take at a time, beside the model, the two unpatched runs and what the
            metric uses. One patch always runs.
        progress: whether to show a bar.

    Returns:
        The metric after each patch, prompt by prompt; see `Sweep`.

    Raises:
        ValueError: the two runs do not fit together or are padded, a hook is at work, there is
            nothing to patch, `what` or a position is not there, or the metric does not return a
            number for each prompt.
        NotImplementedError: behind its last block the model does more than norm and unembed.
    """
    hook = hook_of(model, what)
    check_runs(model, tokens, source)
    tokens, (n_pos, positions) = tokens.to(model.cfg.device), counted(tokens, positions)
    layers = layers_of(model, layers)
    by_position = what not in BY_HEAD if by_position is None else by_position
    with torch.no_grad():
        base = _Run(model, tokens[:, :n_pos], positions, hook)
        if isinstance(source, Mapping):
            values, source_logits = broadcast(source, base.shapes, what), None
            first = 0 if what == "pattern" else _first_change(base, tokens, values)
        else:
            source = source.to(tokens.device)[:, :n_pos]
            first = first_difference(tokens[:, :n_pos], source)
            values, source_logits = _activations(model, source, positions, hook)
        check_finite(values, what)
        patches = _patches(base, what, by_position, first, layers)
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


@guarded(memory_mb=number(low=0, over=True))
def path_sweep(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    metric: Metric | Mapping[str, Metric],
    *,
    receivers: Sequence[tuple[int, int]] = (),
    into: str = "q",
    what: str = "z",
    layers: Sequence[int] | None = None,
    positions: Sequence[int] = (-1,),
    memory_mb: float = 64.0,
    progress: bool = True,
) -> Sweep | dict[str, Sweep]:
    """Patches each sender's output along its direct paths into `receivers` alone.

    Each receiver's queries (or keys, or values) come from the unpatched residual stream, plus the
    difference between what that one sender writes in `source` and in `tokens`. They are held so:
    a later receiver's queries do not see what an earlier receiver changes. The heads and MLPs
    between sender and receivers keep what `tokens` gives; everything else behind a receiver, a
    later receiver's keys and values too, is computed anew.

    TransformerLens has this for one sender and one receiver at a time, as
    `patching.get_act_patch_direct_path`. Source: Wang et al., 2022 (arXiv 2211.00593), who let the
    MLPs between pass the change on.

    Args:
        model, tokens, source, metric, positions, memory_mb, progress: as for `sweep`.
        receivers: (layer, head) of the heads that read. For "k" and "v", the key-value head.
        into: the input that is changed: "q", "k" or "v"; or "logits", which has no receivers: what
            each sender writes straight to the final norm.
        what: who sends: "z" for heads, "attn_out" for whole attention layers, "mlp_out" for MLPs.
        layers: of the senders. By default all.

    Returns:
        The metric for each sender, [layer, head], or [layer] where a layer is one sender. Layers
        from the last receiver's on cannot send: their cells hold the unpatched metric.

    Raises:
        ValueError: as for `sweep`; or a sender, a receiver or `into` is not there.
        NotImplementedError: this kind of model has no inputs of single heads (TransformerLens's
            native models), or norms what a head writes before it adds it to the stream.
    """
    hook = _sender_hook(model, what)
    if isinstance(source, Mapping):
        raise ValueError("A path goes between two runs: give `source` as token ids.")
    check_runs(model, tokens, source)
    tokens, (n_pos, positions) = tokens.to(model.cfg.device), counted(tokens, positions)
    reads = receivers_of(model, receivers, into)
    with torch.no_grad():
        source = source.to(tokens.device)[:, :n_pos]
        first = first_difference(tokens[:, :n_pos], source)
        base = _Run(model, tokens[:, :n_pos], positions, hook)
        own, _ = _activations(model, tokens[:, :n_pos], positions, hook)
        other, source_logits = _activations(model, source, positions, hook)
        check_finite(other, what)
        to_logits = into == "logits"
        start = first if base.past and not to_logits else 0
        axes = _axes(base, what, by_position=False)
        patches = [
            # The run begins at the first receiver that stands behind the sender.
            _Patch((layer, *head), min(r for r in reads if r > layer), start, None, *head)
            for layer in layers_of(model, layers)
            if layer < max(reads)
            for head in ([(i,) for i in range(*axes)] if axes else [()])
        ]
        if not patches:
            raise ValueError(
                f"No sender stands before layer {max(reads)}: choose earlier `layers`."
            )
        patches.sort(key=lambda patch: patch.layer)
        here = (slice(None), positions if to_logits else slice(start, None))
        change = {layer: (other[layer] - own[layer])[here] for layer in range(max(reads))}
        return _measure(
            base,
            patches,
            _send(base, change, reads, into),
            metric,
            source_logits,
            shape=[len(base.kwargs), *axes],
            memory_mb=memory_mb,
            label=f"paths into {into}" if progress else None,
        )


@guarded(memory_mb=number(low=0, over=True))
def receiver_sweep(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    metric: Metric | Mapping[str, Metric],
    *,
    sender: tuple[int, int],
    into: str = "q",
    hold_mlps: bool = True,
    positions: Sequence[int] = (-1,),
    memory_mb: float = 64.0,
    progress: bool = True,
) -> Sweep | dict[str, Sweep]:
    """Patches one head's output along its paths into every later head, one receiver at a time.

    The same numbers as `utils.circuits.patches.path_patch`, receiver by receiver: what each would
    read comes from one run in which all other heads are held, and is then patched in.

    Args:
        model, tokens, source, metric, positions, memory_mb, progress: as for `sweep`.
        sender: (layer, head) of the head that writes.
        into: the input that is changed: "q", "k" or "v".
        hold_mlps: whether MLPs on the way keep what `tokens` gives, or pass the change on.

    Returns:
        The metric for each receiver, [layer, head], or [layer, key-value head] for "k" and "v".
        Cells up to the sender's layer hold the unpatched metric.

    Raises:
        ValueError: as for `sweep`; or the sender or `into` is not there, or nothing comes after
            the sender.
    """
    if isinstance(source, Mapping):
        raise ValueError("A path goes between two runs: give `source` as token ids.")
    check_runs(model, tokens, source)
    by_layer(model, [sender])
    receivers_of(model, [(sender[0] + 1, 0)], into)
    source, (n_pos, places) = source.to(model.cfg.device), counted(tokens, positions)
    first_difference(tokens[:, :n_pos].to(source.device), source[:, :n_pos])
    read, logits = _reads_after(model, tokens, source, sender, into, hold_mlps)
    found = sweep(
        model,
        tokens,
        read,
        metric,
        what=into,
        layers=range(sender[0] + 1, model.cfg.n_layers),
        positions=positions,
        memory_mb=memory_mb,
        progress=progress,
    )
    several = found if isinstance(found, dict) else {"the metric": found}
    metrics = metric if isinstance(metric, Mapping) else {"the metric": metric}
    scores = _scores(metrics, logits[:, places], "on the source run")
    done = {name: replace(each, source_by_prompt=scores[name]) for name, each in several.items()}
    return done if isinstance(found, dict) else done["the metric"]


def _reads_after(
    model, tokens: Tensor, source: Tensor, sender: tuple[int, int], into: str, hold_mlps: bool
) -> tuple[dict[int, Tensor], Float[Tensor, "batch pos d_vocab"]]:
    """Layer -> the queries (or keys, or values) if one head gave its output of the source run, and
    every other head its own; and the source run's logits."""
    layer_of_sender, head = sender
    held = {"z": "attn.hook_z"} | ({"mlp_out": "hook_mlp_out"} if hold_mlps else {})
    read: dict[int, Tensor] = {}

    def names(end: str) -> Callable[[str], bool]:
        return lambda name: name.endswith(end)

    def keep(activation, hook):
        read[hook.layer()] = activation.clone()

    with torch.no_grad():
        ends = tuple(held.values())
        _, kept = model.run_with_cache(tokens, names_filter=lambda name: name.endswith(ends))
        logits, other = model.run_with_cache(source, names_filter=names("attn.hook_z"))

        def hold(activation, hook, what: str):
            own = kept[what, hook.layer()]
            if what == "z" and hook.layer() == layer_of_sender:
                own = own.clone()
                own[:, :, head] = other["z", layer_of_sender][:, :, head]
            return own

        hooks = [(names(end), partial(hold, what=what)) for what, end in held.items()]
        with model.hooks(fwd_hooks=[*hooks, (names(f"attn.hook_{into}"), keep)]):
            model(tokens)
    return read, logits


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
    source = {}
    if source_logits is not None:
        source = _scores(metrics, source_logits, "on the source run")
    found = {name: score.expand(*shape, -1).clone() for name, score in plain.items()}
    with tqdm(total=len(patches), desc=label, disable=label is None, leave=False) as bar:
        for chunk in _chunks(patches, base, memory_mb):
            for patch, logits in zip(chunk, base.patched(chunk, edits, memory_mb), strict=True):
                scores = _scores(metrics, logits, f"after the patch at {list(patch.cell)}")
                for name, score in scores.items():
                    found[name][patch.cell] = score
            del logits  # a view of many patches' logits: the next chunk needs the memory
            bar.update(len(chunk))
    sweeps = {name: Sweep(found[name], plain[name], source.get(name)) for name in metrics}
    return sweeps if isinstance(metric, Mapping) else sweeps["the metric"]


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
            if resid is not None and pos >= start:
                final[:, i] = resid[:, pos - start]
        for _, edit in edits(len(self.kwargs), chunk):
            final = edit(final, None)
        at_once = _at_once(memory_mb, self.logits.numel() * self.logits.element_size())
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
        with split_inputs, self.model.hooks(fwd_hooks=hooks):
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


def _patches(
    base: _Run, what: str, by_position: bool, first: int, layers: Sequence[int]
) -> list[_Patch]:
    """Every patch that can change something, those of one start together, sorted by layer.

    Before `first` the two runs are the same, and so are their activations.
    """
    heads = range(base.shapes[0][_head_axis(what)]) if what in BY_HEAD else [None]
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
        for layer in layers
        for head in heads
    ]


def _first_change(
    base: _Run, tokens: Int[Tensor, "batch pos"], values: Mapping[int, Tensor]
) -> int:
    """The first position where given activations differ from the run's own; 0 if they never do."""
    own, _ = _activations(base.model, tokens[:, : base.n_pos], base.positions, base.hook)
    differ = [(values[i] != own[i]).transpose(0, 1).flatten(1).any(1) for i in own]
    return int(torch.stack(differ).any(0).int().argmax())


def layers_of(model, layers: Sequence[int] | None) -> list[int]:
    """The layers to patch in, each once and in order; a ValueError where one is not there."""
    if layers is None:
        return list(range(model.cfg.n_layers))
    layers = sorted(set(layers))
    if not layers or not all(0 <= layer < model.cfg.n_layers for layer in layers):
        raise ValueError(
            f"`layers` is {layers}: name some from 0 to {model.cfg.n_layers - 1}, in a list."
        )
    return layers


def _axes(base: _Run, what: str, by_position: bool) -> list[int]:
    heads = [base.shapes[0][_head_axis(what)]] if what in BY_HEAD else []
    return ([base.n_pos] if by_position else []) + heads


def _head_axis(what: str) -> int:
    return 1 if what == "pattern" else 2  # [batch, head, query, key] or [batch, pos, head, d_head]


def _at_once(memory_mb: float, n_bytes: int) -> int:
    """How many patches of so many live bytes fit. Resident memory was measured at up to 2.3 times
    as much: an allocator keeps what is freed."""
    return max(1, int(memory_mb * 1e6 / (2.4 * n_bytes)))


def _chunks(patches: Sequence[_Patch], base: _Run, memory_mb: float) -> Iterator[list[_Patch]]:
    for start, group in groupby(patches, key=lambda patch: patch.start):
        group = sorted(group, key=lambda patch: patch.layer)
        size = _at_once(memory_mb, base.bytes_of_patch(start))
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


def _send(
    base: _Run, change: Mapping[int, Tensor], reads: Mapping[int, Sequence[int]], into: str
) -> _Edits:
    """Each patch adds what its sender would write otherwise to what the receivers read."""

    def written(patch: _Patch) -> Float[Tensor, "batch pos d_model"]:
        sender = change[patch.cell[0]]
        if patch.head is None:
            return sender
        return sender[:, :, patch.head] @ base.model.blocks[patch.cell[0]].attn.W_O[patch.head]

    def edits(layer: int, joined: Sequence[_Patch]) -> list:
        if layer not in reads:
            return []

        def edit(inputs: Tensor, hook) -> Tensor:
            rows = inputs.clone().unflatten(0, (-1, base.n_prompts))
            for row, patch in zip(rows, joined, strict=True):
                # Its sender stands before it, or it would not have joined. Unpatched but for that,
                # whatever an earlier receiver has changed.
                if into == "logits":
                    row += written(patch)
                else:
                    read = base.resid[layer][:, patch.start :] + written(patch)
                    row[:, :, list(reads[layer])] = read[:, :, None]
            return rows.flatten(0, 1)

        return [(f"blocks.{layer}.hook_{into}_input", edit)]

    return edits


def _activations(
    model, tokens: Int[Tensor, "batch all_pos"], positions: Sequence[int], hook: str
) -> tuple[dict[int, Tensor], Float[Tensor, "batch pos d_vocab"]]:
    """Layer -> the hook's activation, and the logits at `positions`."""
    logits, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith(hook))
    layers = range(len(model.blocks))
    return {i: cache[f"blocks.{i}.{hook}"] for i in layers}, logits[:, list(positions)].clone()


def broadcast(
    source: Mapping[int, Tensor], shapes: Mapping[int, torch.Size], what: str
) -> dict[int, Tensor]:
    """Given activations in the shapes of the run's own; a ValueError where that cannot be."""
    if set(source) != set(shapes):
        raise ValueError(
            f"Activations are given for {len(source)} layers; give one for each layer from 0 to "
            f"{len(shapes) - 1}."
        )
    try:
        return {i: torch.as_tensor(source[i]).expand(shape) for i, shape in shapes.items()}
    except RuntimeError:
        raise ValueError(
            f"The activations given do not broadcast to {what!r}, which is {list(shapes[0])}."
        ) from None


def _scores(metrics: Mapping[str, Metric], logits: Tensor, when: str) -> dict[str, Tensor]:
    return {
        name: scored(metric, logits, name, when).float().cpu() for name, metric in metrics.items()
    }


def scored(metric: Metric, logits: Tensor, name: str, when: str) -> Float[Tensor, " batch"]:
    """The metric of some logits, or a ValueError where it is not a number for each prompt."""
    try:
        score = metric(logits)
    except IndexError as error:
        raise ValueError(
            f"{name} asks for what is not there ({error}): it gets {list(logits.shape)} logits, "
            "those at `positions` alone."
        ) from error
    if not isinstance(score, Tensor) or score.shape != logits.shape[:1]:
        got = f"shape {list(score.shape)}" if isinstance(score, Tensor) else type(score).__name__
        raise ValueError(
            f"{name} must return one number for each of the {len(logits)} prompts, and returns "
            f"{got}."
        )
    score = score if score.is_floating_point() else score.float()
    if not score.isfinite().all():
        bad = score[~score.isfinite()][0].item()
        raise ValueError(f"{name} is {bad} {when}: does it divide by 0 or take log 0?")
    return score


def hook_of(model, what: str) -> str:
    """The hook of a key of `HOOKS`, or a ValueError that says what this model has."""
    there = [name for name, hook in HOOKS.items() if f"blocks.0.{hook}" in model.hook_dict]
    if what not in there:
        raise ValueError(f"There is no {what!r} to patch; this model has {', '.join(there)}.")
    return HOOKS[what]


def _sender_hook(model, what: str) -> str:
    if what not in _SENDERS:
        raise ValueError(f"{what!r} cannot send: choose among {', '.join(_SENDERS)}.")
    if what == "z" and hasattr(model.blocks[0], "ln1_post"):
        raise NotImplementedError(
            "This model norms what its heads write together before it adds that to the stream, so "
            "single heads have no direct path: choose what='attn_out'."
        )
    return hook_of(model, what)


# ---- What a sweep refuses -----------------------------------------------------------------------


def check_runs(model, tokens: Tensor, source: Tensor | Mapping[int, Tensor]) -> None:
    """Raises a ValueError if a patch from `source` into the run on `tokens` would mislead."""
    runs = {"tokens": tokens} | ({} if isinstance(source, Mapping) else {"source": source})
    for name, run in runs.items():
        if not isinstance(run, Tensor) or run.ndim != 2 or run.dtype not in (torch.int, torch.long):
            raise ValueError(
                f"`{name}` must be token ids, [batch, pos], as `model.to_tokens` gives."
            )
        if not run.numel():
            raise ValueError(f"`{name}` is empty ({list(run.shape)}): give at least one prompt.")
        if not (run.min() >= 0 and run.max() < model.cfg.d_vocab):
            raise ValueError(
                f"`{name}` holds ids that no token has; they end at {model.cfg.d_vocab - 1}."
            )
    if len({run.shape for run in runs.values()}) > 1:
        raise ValueError(
            f"`tokens` is {list(tokens.shape)} and `source` {list(source.shape)}: a patch goes "
            "from a position to the same position, so both need as many prompts and tokens. Choose "
            "words of equally many tokens."
        )
    if model.training:
        raise ValueError("The model is in training mode: call `model.eval()` first.")
    if at := hook_at_work(model):
        raise ValueError(
            f"A hook is at work at {at} (steering, an ablation?), which would act on the parts of "
            "runs that are computed here: leave its context, or call `model.reset_hooks()`."
        )
    if unpadded(torch.cat([run.cpu() for run in runs.values()]), {"model": model}):
        raise ValueError(
            "The prompts are padded, so one position means different things in them: choose "
            "prompts of equally many tokens, or run those of each length by themselves."
        )


def hook_at_work(model) -> str | None:
    """Where somebody's hook is set: a hook point's name, or a module's. None where there is none.

    Hooks that TransformerLens and transformers set for themselves do not count.
    """
    for name, module in model.named_modules():
        if isinstance(module, HookPoint):
            if module.has_hooks():
                return module.name or name
            continue
        kinds = (module._forward_pre_hooks, module._forward_hooks)
        hooks = [hook for kind in (*kinds, module._backward_hooks) for hook in kind.values()]
        if any(_maker(hook) not in ("transformer_lens", "transformers") for hook in hooks):
            return name or "the model"
    return None


def _maker(hook: Callable) -> str:
    return (getattr(hook, "__module__", None) or "").partition(".")[0]


def check_finite(values: Mapping[int, Tensor], what: str) -> None:
    """Raises a ValueError if an activation that would be patched in is NaN or infinite."""
    for layer, value in values.items():
        if not value.isfinite().all():
            raise ValueError(f"{what!r} of the source holds NaN or infinity in layer {layer}.")


def first_difference(tokens: Tensor, source: Tensor) -> int:
    """The first position where two runs differ, or a ValueError where there is none."""
    differ = (tokens != source).any(0)
    if not differ.any():
        raise ValueError(
            "`tokens` and `source` are the same up to the last position that the metric reads, so "
            "no patch can change anything."
        )
    return int(differ.int().argmax())


def counted(tokens: Tensor, positions: Sequence[int]) -> tuple[int, list[int]]:
    """How many positions have to be computed, and the given ones counted from the start."""
    n_pos = tokens.shape[1]
    single = isinstance(positions, int)
    if single or not len(positions) or not all(-n_pos <= pos < n_pos for pos in positions):
        raise ValueError(
            f"`positions` is {positions}; name some from {-n_pos} to {n_pos - 1}, in a list."
        )
    positions = [pos % n_pos for pos in positions]
    return max(positions) + 1, positions


def receivers_of(model, receivers: Sequence[tuple[int, int]], into: str) -> dict[int, list[int]]:
    """Layer -> the heads that read there; the logits stand behind the last layer. A ValueError
    where one is not there."""
    if into == "logits":
        if receivers:
            raise ValueError("The logits take no `receivers`: leave them out, or choose an input.")
        return {model.cfg.n_layers: []}
    if into not in ("q", "k", "v"):
        raise ValueError(f"A path ends in 'q', 'k', 'v' or 'logits', and not in {into!r}.")
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
