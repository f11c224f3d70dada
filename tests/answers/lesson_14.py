"""Lesson 1.4: plausible wrong answers, and right ones in other styles."""

import inspect
from functools import partial

import torch

from utils.circuits import patches

_course = {name: inspect.unwrap(getattr(patches, name)) for name in vars(patches)}

# ---- The sweep ----------------------------------------------------------------------------------


def _sweep(
    *,
    put=lambda own, value, pos: own.index_copy(1, torch.tensor([pos]), value[:, [pos]]),
    scale=lambda values, base, top: (values - base) / (top - base).mean(),
    place="pre",
    late=False,
    swap=False,
    order=lambda each: each,
    uses_source=True,
    value_of=None,
    late_layer=False,
    piles=False,
):
    """A sweep in which one thing can be wrong."""

    def stream_sweep(model, corrupted, clean, metric, *, layers, positions, source=None):
        source = clean if source is None or not uses_source else source
        patched_run = corrupted
        if swap:
            patched_run, source = source, corrupted
        layers, positions = order(layers), order(positions)
        with torch.no_grad():
            base, top = metric(model(corrupted)), metric(model(clean))
            _, cache = model.run_with_cache(source)
            hooks = []
            for layer in layers:
                for pos in positions:

                    def hook(own, hook, layer=layer, pos=pos):
                        at = positions[-1] if late else pos
                        of = layers[-1] if late_layer else layer
                        return put(own.clone(), cache[f"resid_{value_of or place}", of], at)

                    hooks.append((f"blocks.{layer}.hook_resid_{place}", hook))
            values = torch.stack(
                [
                    metric(
                        model.run_with_hooks(
                            patched_run, fwd_hooks=hooks[0 if piles else i : i + 1]
                        )
                    )
                    for i in range(len(hooks))
                ]
            )
        return scale(values.unflatten(0, (len(layers), len(positions))), base, top)

    return stream_sweep


def _all_positions(own, value, pos):
    return value


def _from_there(own, value, pos):
    own[:, pos:] = value[:, pos:]
    return own


def _off_by_one(own, value, pos):
    own[:, pos - 1] = value[:, pos - 1]
    return own


def _added(own, value, pos):
    own[:, pos] += value[:, pos]
    return own


def _first_row(own, value, pos):
    own[0, pos] = value[0, pos]
    return own


def _returns_nothing(own, value, pos):
    own[:, pos] = value[:, pos]


def _late_binding(model, corrupted, clean, metric, *, layers, positions, source=None):
    source = clean if source is None else source
    with torch.no_grad():
        base, top = metric(model(corrupted)), metric(model(clean))
        _, cache = model.run_with_cache(source)
        hooks = []
        for layer in layers:
            for pos in positions:

                def hook(own, hook):
                    own = own.clone()
                    own[:, pos] = cache["resid_pre", hook.layer()][:, pos]  # noqa: B023
                    return own

                hooks.append((f"blocks.{layer}.hook_resid_pre", hook))
        values = [metric(model.run_with_hooks(corrupted, fwd_hooks=[each])) for each in hooks]
    restored = (torch.stack(values) - base) / (top - base).mean()
    return restored.unflatten(0, (len(layers), len(positions)))


def _to_source(model, corrupted, clean, metric, *, layers, positions, source=None):
    source = clean if source is None else source
    return _course["stream_sweep"](
        model, corrupted, source, metric, layers=layers, positions=positions
    )


def _after(what, function="stream_sweep"):
    """The course's answer, spoiled at the end."""

    def spoiled(*args, **kwargs):
        return what(_course[function](*args, **kwargs))

    return spoiled


def _in_place_cache(model, corrupted, clean, metric, *, layers, positions, source=None):
    found = _course["stream_sweep"](
        model, corrupted, clean, metric, layers=layers, positions=positions, source=source
    )
    layers.sort()
    return found


def _sweep_by_context(model, corrupted, clean, metric, *, layers, positions, source=None):
    """Within `model.hooks`, cell by cell into a tensor of zeros."""
    restored = torch.zeros(len(layers), len(positions), len(corrupted))
    with torch.no_grad():
        base = metric(model(corrupted))
        way = (metric(model(clean)) - base).mean().item()
        _, cache = model.run_with_cache(clean if source is None else source)
        for i, layer in enumerate(layers):
            for j, pos in enumerate(positions):

                def put(own, hook):
                    mask = torch.arange(own.shape[1]) == pos  # noqa: B023
                    return torch.where(mask[:, None], cache["resid_pre", hook.layer()], own)

                with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", put)]):
                    restored[i, j] = (metric(model(corrupted)) - base) / way
    return restored


def _with_graph(model, corrupted, clean, metric, *, layers, positions, source=None):
    """Detached at the end alone, after every cell has kept its graph."""
    base, top = metric(model(corrupted)), metric(model(clean))
    cache = model.run_with_cache(clean if source is None else source)[1]
    cells = []
    for layer in layers:
        for pos in positions:

            def put(own, hook):
                own = own.clone()
                own[:, pos] = cache["resid_pre", hook.layer()][:, pos]  # noqa: B023
                return own

            logits = model.run_with_hooks(
                corrupted, fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", put)]
            )
            cells.append((metric(logits) - base) / (top - base).mean())
    return torch.stack(cells).unflatten(0, (len(layers), len(positions))).detach()


def _by_hook_name(model, corrupted, clean, metric, *, layers, positions, source=None):
    kept, names = {}, [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    with torch.no_grad():
        _, cache = model.run_with_cache(clean if source is None else source, names_filter=names)
        kept = {name: cache[name] for name in names}

        def put(own, hook):
            return kept[hook.name]

        return metric(model.run_with_hooks(corrupted, fwd_hooks=[(names[0], put)]))


@torch.no_grad()
def _sweep_in_one_batch(model, corrupted, clean, metric, *, layers, positions, source=None):
    """All positions of a layer in one run, and the hook writes in place."""
    n, batch = len(positions), len(corrupted)
    base, top = metric(model(corrupted)), metric(model(clean))
    cache = model.run_with_cache(clean if source is None else source)[1]
    restored = []
    for layer in layers:

        def put(own, hook):
            for i, pos in enumerate(positions):
                rows = slice(i * batch, (i + 1) * batch)
                own[rows, pos] = cache["resid_pre", hook.layer()][:, pos]
            return own

        hook = (f"blocks.{layer}.hook_resid_pre", put)
        logits = model.run_with_hooks(corrupted.repeat(n, 1), fwd_hooks=[hook])
        values = [metric(each) for each in logits.split(batch)]
        restored.append((torch.stack(values) - base) / (top - base).mean())
    return torch.stack(restored)


# ---- Corruptions --------------------------------------------------------------------------------


def _arranged(**orders):
    """Each kind as (at IO, at S1, at S2)."""

    def corruptions(prompts):
        found = {}
        for kind, order in orders.items():
            found[kind] = prompts.tokens.clone()
            for label, name in zip(("IO", "S1", "S2"), order, strict=True):
                found[kind][:, prompts.positions[label]] = getattr(prompts, name)
        return found

    return corruptions


_RIGHT = {
    "position": ("s", "io", "s"),
    "answer": ("s", "io", "io"),
    "both": ("io", "s", "io"),
}


def _arrange(**changed):
    return _arranged(**{**_RIGHT, **changed})


def _shared_tokens(prompts):
    found = dict.fromkeys(("position", "answer", "both"), prompts.tokens)
    found["both"][:, prompts.positions["S2"]] = prompts.io
    return found


def _views(prompts):
    tokens = prompts.tokens.clone()
    first, second, again = (prompts.positions[label] for label in ("IO", "S1", "S2"))
    tokens[:, [first, second]] = tokens[:, [second, first]]
    position = tokens
    tokens[:, again] = prompts.io
    both = prompts.tokens.clone()
    both[:, again] = prompts.io
    return {"position": position, "answer": tokens, "both": both}


def _by_exchange(prompts):
    position = prompts.tokens.clone()
    places = [prompts.positions["IO"], prompts.positions["S1"]]
    position[:, places] = position[:, places[::-1]]
    to_io = torch.where(
        torch.arange(position.shape[1]) == prompts.positions["S2"], prompts.io[:, None], position
    )
    both = prompts.tokens.clone()
    both[torch.arange(len(both)), prompts.positions["S2"]] = prompts.io
    return {"both": both, "answer": to_io, "position": position}


def _by_rename(prompts):
    """The answer alone changes if the two names are exchanged wherever they stand."""
    tokens, io, s = prompts.tokens, prompts.io[:, None], prompts.s[:, None]
    answer = torch.where(tokens == io, s, torch.where(tokens == s, io, tokens))
    position, both = answer.clone(), tokens.clone()
    position[:, prompts.positions["S2"]] = prompts.s
    both[:, prompts.positions["S2"]] = prompts.io
    return {"position": position, "answer": answer, "both": both}


def _by_swapped(prompts):
    found = _by_exchange(prompts) | {"clean": prompts.tokens}
    return found | {"both": prompts.swapped().tokens}


# ---- Paths --------------------------------------------------------------------------------------


def _paths(
    *,
    hold_heads=True,
    flip_mlps=False,
    first_mlp=0,
    whole_sender=False,
    whole_receiver=False,
    second_pass=False,
    exchanged=False,
    from_source=False,
    returns=True,
    only=slice(None),
    always=None,
    last_position=False,
    sender_stays=False,
    sender_stays_at=slice(None),
    mlps_of_source=False,
    hold_last_mlps=False,
    caches_exchanged=False,
    last_on_source=False,
    as_position=False,
    n_layers=None,
    head_of=lambda head, into: head,
):
    def path_patch(model, tokens, source, *, sender, receivers, into, hold_mlps):
        if exchanged:
            tokens, source = source, tokens
        into, receivers = always or into, receivers[only]
        receivers = [(layer, head_of(head, into)) for layer, head in receivers]
        layers, changed = range(n_layers or model.cfg.n_layers), {}
        with torch.no_grad():
            own, other = model.run_with_cache(tokens)[1], model.run_with_cache(source)[1]
            own, other = (other, own) if caches_exchanged else (own, other)
            mlps = other if mlps_of_source else own

            def hold(z, hook):
                layer = hook.layer()
                z = own["z", layer].clone() if hold_heads else z.clone()
                if layer == sender[0] and as_position:
                    z[:, sender[1]] = other["z", layer][:, sender[1]]
                elif layer == sender[0]:
                    heads = slice(None) if whole_sender else sender[1]
                    z[:, :, heads] = other["z", layer][:, :, heads]
                return z

            def keep(read, hook):
                changed[hook.layer()] = other[into, hook.layer()] if from_source else read.clone()

            def put(read, hook):
                read = read.clone()
                for layer, head in receivers:
                    if layer == hook.layer():
                        heads = slice(None) if whole_receiver else head
                        at = -1 if last_position else slice(None)
                        read[:, at, heads] = changed[layer][:, at, heads]
                return read if returns else None

            hooks = [(f"blocks.{i}.attn.hook_z", hold) for i in layers]
            hooks += [(f"blocks.{i}.attn.hook_{into}", keep) for i in layers]
            if hold_mlps != flip_mlps:
                hooks += [
                    (f"blocks.{i}.hook_mlp_out", lambda out, hook: mlps["mlp_out", hook.layer()])
                    for i in layers
                    if i >= sender[0] + first_mlp
                ]
            logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
            if second_pass:
                return logits
            hooks = [(f"blocks.{i}.attn.hook_{into}", put) for i in layers]
            if sender_stays:

                def patch(z, hook):
                    z, at = z.clone(), sender_stays_at
                    z[:, at, sender[1]] = other["z", sender[0]][:, at, sender[1]]
                    return z

                hooks.append((f"blocks.{sender[0]}.attn.hook_z", patch))
            if hold_last_mlps:
                hooks += [
                    (f"blocks.{i}.hook_mlp_out", lambda out, hook: own["mlp_out", hook.layer()])
                    for i in layers
                ]
            return model.run_with_hooks(source if last_on_source else tokens, fwd_hooks=hooks)

    return path_patch


def _only_sender(model, tokens, source, *, sender, receivers, into, hold_mlps):
    """Ordinary patching: everybody reads the change."""
    with torch.no_grad():
        _, other = model.run_with_cache(source)

        def put(z, hook):
            z = z.clone()
            z[:, :, sender[1]] = other["z", sender[0]][:, :, sender[1]]
            return z

        return model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{sender[0]}.attn.hook_z", put)])


def _stale_cache(model, tokens, source, *, sender, receivers, into, hold_mlps):
    """The cache's own tensor is changed, so that the run to be held is none any more."""
    with torch.no_grad():
        _, own = model.run_with_cache(tokens)
        _, other = model.run_with_cache(source)
        own["z", sender[0]][:, :, sender[1]] = other["z", sender[0]][:, :, sender[1]]
        model.add_hook(f"blocks.{sender[0]}.attn.hook_z", lambda z, hook: own["z", sender[0]])
        return model(tokens)


def _path_by_context(model, tokens, source, *, sender, receivers, into, hold_mlps):
    """Within `model.hooks`, receivers' layers alone, and names that a function picks."""
    with torch.no_grad():
        own, other = (
            model.run_with_cache(
                run, names_filter=lambda n: n.endswith(("hook_z", "hook_mlp_out"))
            )[1]
            for run in (tokens, source)
        )
        kept, layers = {}, {layer for layer, _ in receivers}

        def hold(activation, hook, what):
            value = own[what, hook.layer()]
            if what == "z" and hook.layer() == sender[0]:
                one = torch.arange(value.shape[2], device=value.device) == sender[1]
                value = torch.where(one[:, None], other["z", sender[0]], value)
            return value

        def keep(read, hook):
            kept[hook.layer()] = read

        hooks = [
            (f"blocks.{i}.attn.hook_z", partial(hold, what="z")) for i in range(model.cfg.n_layers)
        ]
        if hold_mlps:
            for i in range(model.cfg.n_layers):
                hooks.append((f"blocks.{i}.hook_mlp_out", partial(hold, what="mlp_out")))
        hooks += [(f"blocks.{i}.attn.hook_{into}", keep) for i in layers]
        with model.hooks(fwd_hooks=hooks):
            model(tokens)

        def put(read, hook):
            for layer, head in receivers:
                if layer == hook.layer():
                    read[:, :, head] = kept[layer][:, :, head]
            return read

        with model.hooks(fwd_hooks=[(f"blocks.{i}.attn.hook_{into}", put) for i in layers]):
            return model(tokens)


def _path_by_stop(model, tokens, source, *, sender, receivers, into, hold_mlps):
    """Hooks that stay, taken off at the end; each receiver's hook is its own."""
    with torch.no_grad():
        own, other = model.run_with_cache(tokens)[1], model.run_with_cache(source)[1]
        mixed = own["z", sender[0]].clone()
        mixed[:, :, sender[1]] = other["z", sender[0]][:, :, sender[1]]
        reads = {}
        try:
            for i in range(model.cfg.n_layers):
                z = mixed if i == sender[0] else own["z", i]
                model.add_hook(f"blocks.{i}.attn.hook_z", lambda _, hook, z=z: z)
                if hold_mlps:
                    mlp = own["mlp_out", i]
                    model.add_hook(f"blocks.{i}.hook_mlp_out", lambda _, hook, mlp=mlp: mlp)
            _, cache = model.run_with_cache(tokens)
            reads = {layer: cache[into, layer].clone() for layer, _ in receivers}
        finally:
            model.reset_hooks()

        def one(layer, head):
            def put(read, hook):
                return torch.cat(
                    [read[:, :, :head], reads[layer][:, :, [head]], read[:, :, head + 1 :]], dim=2
                )

            return f"blocks.{layer}.attn.hook_{into}", put

        return model.run_with_hooks(tokens, fwd_hooks=[one(*each) for each in receivers])


# ---- Attribution --------------------------------------------------------------------------------


def _attribution(
    *,
    score=lambda product: product.sum((1, 3)).T,
    cut=False,
    change=lambda s, o: s - o,
    reduce=torch.sum,
    exchanged=False,
    one_key=False,
    n_layers=None,
):
    def attribution_patching(model, tokens, source, metric, *, name="attn.hook_z"):
        if exchanged:
            tokens, source = source, tokens
        names = [f"blocks.{layer}.{name}" for layer in range(n_layers or model.cfg.n_layers)]
        kept = {}

        def keep(activation, hook):
            if cut:
                activation = activation.detach().requires_grad_()
            kept[0 if one_key else hook.layer()] = activation
            return activation

        logits = model.run_with_hooks(tokens, fwd_hooks=[(each, keep) for each in names])
        kept = {i: kept[0 if one_key else i] for i in range(len(names))}
        gradients = torch.autograd.grad(reduce(metric(logits)), [kept[i] for i in kept])
        with torch.no_grad():
            _, other = model.run_with_cache(source, names_filter=names)
            if one_key:
                last = other[names[-1]]
                return torch.stack([score(g * change(last, kept[0])) for g in gradients])
            return torch.stack(
                [
                    score(g * change(other[each], kept[i]))
                    for i, (g, each) in enumerate(zip(gradients, names, strict=True))
                ]
            )

    return attribution_patching


def _no_return(model, tokens, source, metric, *, name="attn.hook_z"):
    names = [f"blocks.{layer}.{name}" for layer in range(model.cfg.n_layers)]
    own = {}

    def keep(activation, hook):
        own[hook.layer()] = activation

    logits = model.run_with_hooks(tokens, fwd_hooks=[(each, keep) for each in names])
    gradients = torch.autograd.grad(metric(logits).sum(), [own[i] for i in range(len(names))])
    _, other = model.run_with_cache(source)
    return torch.stack(
        [
            (g * (other[each] - own[i])).sum((1, 3)).T
            for i, (g, each) in enumerate(zip(gradients, names, strict=True))
        ]
    )


def _no_return_backward(model, tokens, source, metric, *, name="attn.hook_z"):
    kept, layers = {}, range(model.cfg.n_layers)

    def keep(activation, hook):
        activation.retain_grad()
        kept[hook.layer()] = activation

    model_hooks = [(f"blocks.{i}.{name}", keep) for i in layers]
    metric(model.run_with_hooks(tokens, fwd_hooks=model_hooks)).sum().backward()
    model.zero_grad()
    _, other = model.run_with_cache(source)
    change = [other[f"blocks.{i}.{name}"] - kept[i] for i in layers]
    return torch.stack([(kept[i].grad * change[i]).sum((1, 3)).T for i in layers])


def _no_grad(model, tokens, source, metric, *, name="attn.hook_z"):
    with torch.no_grad():
        return _course["attribution_patching"](model, tokens, source, metric, name=name)


def _always_z(model, tokens, source, metric, *, name="attn.hook_z"):
    return _course["attribution_patching"](model, tokens, source, metric)


def _wrong_gradient_run(model, tokens, source, metric, *, name="attn.hook_z"):
    return -_course["attribution_patching"](model, source, tokens, metric, name=name)


def _attribution_by_backward(model, tokens, source, metric, *, name="attn.hook_z"):
    kept = {}

    def keep(activation, hook):
        activation.retain_grad()
        kept[hook.layer()] = activation
        return activation

    layers = range(model.cfg.n_layers)
    with model.hooks(fwd_hooks=[(f"blocks.{i}.{name}", keep) for i in layers]):
        metric(model(tokens)).sum().backward()
    model.zero_grad()
    _, other = model.run_with_cache(source)
    scores = torch.zeros(len(layers), kept[0].shape[2], len(tokens))
    for i in layers:
        change = other[f"blocks.{i}.{name}"] - kept[i]
        scores[i] = torch.einsum("bphd, bphd -> hb", kept[i].grad, change)
    return scores.detach()


def _attribution_by_backward_hooks(model, tokens, source, metric, *, name="attn.hook_z"):
    names, slopes = [f"blocks.{i}.{name}" for i in range(model.cfg.n_layers)], {}

    def keep(gradient, hook):
        slopes[hook.layer()] = gradient.clone()

    with torch.no_grad():
        _, own = model.run_with_cache(tokens, names_filter=names)
        _, other = model.run_with_cache(source, names_filter=names)
    with model.hooks(bwd_hooks=[(each, keep) for each in names]):
        metric(model(tokens)).sum().backward()
    rows = [slopes[i] * (other[each] - own[each]) for i, each in enumerate(names)]
    return torch.stack(rows).sum((2, 4)).transpose(1, 2)


# ---- The QK fix ---------------------------------------------------------------------------------


def _fix(
    *,
    repeat=lambda keys, n: keys.repeat_interleave(n, dim=2),
    scale=True,
    mask="before",
    axis=-1,
    score=lambda gradient, change: (gradient * change).sum((2, 3)).T,
    own=True,
    fill=-torch.inf,
    diagonal=1,
):
    def qk_fix(gradient, pattern, queries, keys):
        keys = repeat(keys, queries.shape[2] // keys.shape[2])
        scores = torch.einsum("bqhd, bkhd -> bhqk", queries, keys)
        scores = scores / queries.shape[-1] ** 0.5 if scale else scores
        future = torch.ones_like(scores[0, 0]).triu(diagonal).bool()
        if mask == "before":
            scores = scores.masked_fill(future, fill)
        made = scores.softmax(axis)
        made = made.masked_fill(future, 0) if mask == "after" else made
        return score(gradient, made - (pattern if own else 0))

    return qk_fix


def _fix_by_loop(gradient, pattern, queries, keys):
    batch, n_heads, n_pos, _ = gradient.shape
    found = torch.zeros(n_heads, batch)
    for head in range(n_heads):
        key = keys[:, :, head * keys.shape[2] // n_heads]
        scores = queries[:, :, head] @ key.mT / queries.shape[-1] ** 0.5
        scores += torch.full((n_pos, n_pos), -1e9).triu(1)
        found[head] = (gradient[:, head] * (scores.softmax(-1) - pattern[:, head])).sum((1, 2))
    return found


def _fix_by_attention(gradient, pattern, queries, keys):
    """Attention over an identity for values returns its own pattern."""
    n_pos = queries.shape[1]
    queries, keys = queries.transpose(1, 2), keys.transpose(1, 2)
    values = torch.eye(n_pos).expand(*keys.shape[:2], -1, -1)
    made = torch.nn.functional.scaled_dot_product_attention(
        queries, keys, values, is_causal=True, enable_gqa=True
    )
    return torch.einsum("bhqk, bhqk -> hb", gradient, made - pattern)


MISTAKES = {
    "stream_sweep": [
        ("raw metric", _sweep(scale=lambda v, b, t: v), "put it on the scale"),
        ("not divided", _sweep(scale=lambda v, b, t: v - b), "Not divided"),
        (
            "each prompt's way",
            _sweep(scale=lambda v, b, t: (v - b) / (t - b)),
            "divide by the mean over prompts",
        ),
        (
            "over the clean metric",
            _sweep(scale=lambda v, b, t: (v - b) / t.mean()),
            "Divided by the clean metric",
        ),
        (
            "mean base",
            _sweep(scale=lambda v, b, t: (v - b.mean()) / (t - b).mean()),
            "averaged over prompts",
        ),
        ("base left in", _sweep(scale=lambda v, b, t: v / (t - b).mean()), "is not taken off"),
        ("turned round", _after(lambda found: 1 - found), "turned round"),
        ("sign", _after(lambda found: -found), "The sign"),
        ("noising", _sweep(swap=True), "The wrong direction"),
        ("all positions", _sweep(put=_all_positions), "Every position is patched"),
        ("from there on", _sweep(put=_from_there), "from `pos` on"),
        ("off by one", _sweep(put=_off_by_one), "Off by one"),
        ("added", _sweep(put=_added), "*added*"),
        ("hook returns nothing", _sweep(put=_returns_nothing), "must return the activation"),
        ("last position", _sweep(late=True), "a hook made in a loop"),
        ("late binding", _late_binding, "a hook made in a loop"),
        ("after the block", _sweep(place="post"), "*after* the block"),
        ("axes", _after(lambda found: found.transpose(0, 1)), "[position, layer, batch]"),
        ("mean over prompts", _after(lambda found: found.mean(-1)), "Keep the prompts"),
        ("clamped", _after(lambda found: found.clamp(0, 1)), "cut off at 0 and 1"),
        ("sorted", _sweep(order=sorted), "keep the order of"),
        ("source ignored", _sweep(uses_source=False), "`source` is ignored"),
        ("normalised by the source", _to_source, "Normalised by the source"),
        ("late layer and position", _sweep(late=True, late_layer=True), "bind both"),
        ("hooks pile up", _sweep(piles=True), "Earlier patches are still at work"),
        ("first row", _sweep(put=_first_row), "Only the first prompt"),
        ("after, put before", _sweep(value_of="post"), "from the source too"),
        ("before, put after", _sweep(place="post", value_of="pre"), "hook `hook_resid_pre`"),
        ("graphs kept", _with_graph, "torch.no_grad"),
        ("the hook's own name", _by_hook_name, "another name of the same hook"),
        ("sorts its input", _in_place_cache, "changes its input `layers` itself"),
    ],
    "corruptions": [
        ("nothing", _arrange(both=("io", "s", "s")), "nothing has changed"),
        ("position as both", _arrange(position=("io", "s", "io")), 'that is "both"'),
        ("position as answer", _arrange(position=("s", "io", "io")), 'that is "answer"'),
        ("answer as both", _arrange(answer=("io", "s", "io")), 'that is "both"'),
        ("answer as position", _arrange(answer=("s", "io", "s")), 'that is "position"'),
        ("third name", _arrange(answer=("s", "io", "spare")), "was not in the prompt"),
        ("one name", _arrange(position=("s", "s", "s")), "one name fills all three"),
        ("twice in front", _arrange(answer=("s", "s", "io")), "so no answer is left"),
        ("shared and in place", _shared_tokens, "changes its input"),
        ("one tensor for two", _views, 'that is "answer"'),
        (
            "a key is missing",
            _arranged(**{k: v for k, v in _RIGHT.items() if k != "answer"}),
            "three keys",
        ),
        ("a tuple", lambda prompts: tuple(_arrange()(prompts).values()), "a dictionary"),
    ],
    "path_patch": [
        ("heads free", _paths(hold_heads=False), "not held in the second pass"),
        ("MLPs the other way", _paths(flip_mlps=True), "yours does the opposite"),
        ("own MLP free", _paths(first_mlp=1), "MLP of the sender's own layer must be held"),
        ("second pass", _paths(second_pass=True), "That is the second pass"),
        ("whole sender", _paths(whole_sender=True), "whole layer of the sender"),
        ("whole receiver", _paths(whole_receiver=True), "All heads of the receivers' layers"),
        ("runs exchanged", _paths(exchanged=True), "The runs are exchanged"),
        ("from the source", _paths(from_source=True), "read what they read in `source`"),
        ("last hook returns nothing", _paths(returns=False), "Nothing has changed"),
        ("first receiver", _paths(only=slice(1)), "Only the first receiver"),
        ("last receiver", _paths(only=slice(-1, None)), "Only the last receiver"),
        ("always queries", _paths(always="q"), "whatever `into` says"),
        ("last position", _paths(last_position=True), "Only the last position"),
        ("sender patched too", _paths(sender_stays=True), "patched in the last pass too"),
        (
            "sender patched at the end too",
            _paths(sender_stays=True, sender_stays_at=slice(-1, None)),
            "at the last position: nothing but",
        ),
        ("MLPs of the source", _paths(mlps_of_source=True), "what they give in `source`"),
        ("MLPs held to the end", _paths(hold_last_mlps=True), "MLPs are still held"),
        ("caches exchanged", _paths(caches_exchanged=True), "The two caches are exchanged"),
        ("last pass on the source", _paths(last_on_source=True), "The last pass runs on"),
        ("missing axis", _paths(as_position=True), "taken for a position"),
        ("four layers", _paths(n_layers=4), "set hooks in all"),
        (
            "key-value heads mapped twice",
            _paths(head_of=lambda head, into: head if into == "q" else head // 2),
            "key-value heads already",
        ),
        ("ordinary patching", _only_sender, "should be"),
        ("a hook stays behind", _stale_cache, "changes its input `model`"),
    ],
    "attribution_patching": [
        ("sign", _attribution(change=lambda s, o: o - s), "The sign"),
        ("own left out", _attribution(change=lambda s, o: s), "own activation is missing"),
        ("mean metric", _attribution(reduce=torch.mean), "that of the sum"),
        ("runs exchanged", _attribution(exchanged=True), "The runs are exchanged"),
        ("gradient on the source", _wrong_gradient_run, "belongs to the run that is patched"),
        ("prompts summed", _attribution(score=lambda x: x.sum((0, 1, 3))), "Keep the prompts"),
        ("prompts averaged", _attribution(score=lambda x: x.sum((1, 3)).mean(0)), "over prompts"),
        ("positions averaged", _attribution(score=lambda x: x.mean(1).sum(-1).T), "over positions"),
        ("coordinates averaged", _attribution(score=lambda x: x.sum(1).mean(-1).T), "dot product"),
        ("all averaged", _attribution(score=lambda x: x.mean((1, 3)).T), "positions and coord"),
        ("last position", _attribution(score=lambda x: x[:, -1].sum(-1).T), "Only the last pos"),
        ("absolute", _attribution(score=lambda x: x.sum((1, 3)).abs().T), "The sign is lost"),
        ("axes", _attribution(score=lambda x: x.sum((1, 3))), "[layer, batch, head]"),
        ("cut", _attribution(cut=True), "cuts the graph"),
        ("hook returns nothing", _no_return, "the hook must return it"),
        ("hook returns nothing, backward", _no_return_backward, "the hook must return it"),
        ("two layers", _attribution(n_layers=2), "should have shape"),
        ("no grad", _no_grad, "does not require grad"),
        ("always z", _always_z, "`name` is ignored"),
        ("one key for all", _attribution(one_key=True), "under the same key"),
    ],
    "qk_fix": [
        ("tiled keys", _fix(repeat=lambda k, n: k.repeat(1, 1, n, 1)), "repeat_interleave"),
        ("first key head", _fix(repeat=lambda k, n: k[:, :, :1]), "first key-value head"),
        ("no root", _fix(scale=False), "root of `d_head`"),
        ("no mask", _fix(mask=None), "look ahead"),
        ("mask after", _fix(mask="after"), "*after* the softmax"),
        ("softmax over queries", _fix(mask=None, axis=-2), "over the queries"),
        ("softmax over queries, masked", _fix(axis=-2), "over the queries"),
        ("filled with zero", _fix(fill=0.0), "filled with 0 before"),
        ("no look at itself", _fix(diagonal=0), "above the diagonal"),
        ("no look at itself, finite", _fix(diagonal=0, fill=-1e9), "above the diagonal"),
        ("own pattern left out", _fix(own=False), "own pattern is missing"),
        ("sign", _fix(score=lambda g, c: -(g * c).sum((2, 3)).T), "The sign"),
        ("axes", _fix(score=lambda g, c: (g * c).sum((2, 3))), "[batch, head]"),
        ("mean", _fix(score=lambda g, c: (g * c).mean((2, 3)).T), "averaged over queries"),
        ("prompts averaged", _fix(score=lambda g, c: (g * c).sum((2, 3)).mean(0)), "over prompts"),
        ("prompts summed", _fix(score=lambda g, c: (g * c).sum((0, 2, 3))), "Keep the prompts"),
        ("last query", _fix(score=lambda g, c: (g * c)[:, :, -1].sum(-1).T), "Only the last query"),
        ("absolute", _fix(score=lambda g, c: (g * c).abs().sum((2, 3)).T), "is lost"),
    ],
    "first_link": [
        ("another previous-token head", (8, 1, "k"), "carries far more"),
        ("the wrong input", (16, 0, "v"), "Values are what L17H4 moves"),
        ("queries", (16, 0, "q"), "*find* its mark"),
        ("the reader itself", (17, 4, "k"), "not before layer 17"),
        ("no letter", (16, 0, 1), "the input"),
        ("head first", (0, 16, "k"), "The layer comes first"),
        ("a name and a letter", ("L16H0", "k"), "as two numbers"),
        ("a name", "L16H0", "form that is asked for"),
    ],
}

RIGHT = {
    "stream_sweep": [
        ("a context, cell by cell", _sweep_by_context),
        ("a layer in one batch", _sweep_in_one_batch),
        ("all hooks first", _sweep()),
    ],
    "corruptions": [
        ("by exchange", _by_exchange),
        ("by renaming", _by_rename),
        ("swapped, and the clean prompts too", _by_swapped),
    ],
    "path_patch": [
        ("contexts and partial", _path_by_context),
        ("hooks that stay, taken off", _path_by_stop),
        ("all in hooks", _paths()),
    ],
    "attribution_patching": [
        ("backward", _attribution_by_backward),
        ("backward hooks", _attribution_by_backward_hooks),
    ],
    "qk_fix": [("head by head", _fix_by_loop), ("attention over an identity", _fix_by_attention)],
    "first_link": [("a list", [16, 0, "k"]), ("a pair", ((16, 0), "k")), ("capital", (16, 0, "K"))],
}
