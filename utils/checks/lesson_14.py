"""Checks of lesson 1.4: a sweep, corruptions, path patching and estimates from a gradient."""

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace

import torch
from torch import Tensor

from utils.checks.engine import Wrong, exercise, expect, investigation, match


def _rows(batch: int) -> str:
    return f"{batch} prompts" if batch > 1 else "one prompt"


def _tiny(random: torch.Generator, *, n_layers: int, scale: float = 0.7, grouped: bool = False):
    """A model of a few layers of three heads with MLPs, its weights large enough to matter.

    Grouped, it has four heads, of which two share keys and values.
    """
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    sizes = {"d_head": 4, "d_mlp": 10, "d_vocab": 11, "n_ctx": 6, "n_layers": n_layers}
    heads = {"d_model": 12, "n_heads": 3}
    if grouped:
        heads = {"d_model": 16, "n_heads": 4, "n_key_value_heads": 2}
    config = TransformerBridgeConfig(act_fn="gelu", normalization_type="LN", **sizes, **heads)
    with torch.random.fork_rng(devices=[]):
        model = TransformerBridge.boot_native(config, device="cpu").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=random)
            weight.copy_(1 + 0.3 * noise if "ln" in name and weight.ndim == 1 else scale * noise)
    return model


def _two_runs(random: torch.Generator, batch: int) -> tuple[Tensor, Tensor]:
    """Tokens of two runs that differ at position 1 and from 3 on."""
    tokens = torch.randint(11, (batch, 6), generator=random)
    other = tokens.clone()
    for pos in (1, 3, 4, 5):
        other[:, pos] = (tokens[:, pos] + torch.randint(1, 11, (batch,), generator=random)) % 11
    return tokens, other


def _reader(random: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A metric, one number for each prompt, that many logits at the end enter."""
    weights = torch.randn(11, generator=random)
    return lambda logits: (logits[:, -1].float() * weights).sum(-1)


def _cached(model, tokens: Tensor):
    with torch.no_grad():
        return model.run_with_cache(tokens)


@exercise("utils.circuits.patches.stream_sweep")
def check_stream_sweep(stream_sweep) -> str:
    """A tiny model in which every patch is made one by one."""
    random = torch.Generator().manual_seed(0)
    model, metric = _tiny(random, n_layers=3), _reader(random)
    for batch, layers, positions, other_source in (
        (2, [2, 0], [1, 3, 4], False),
        (3, [1, 2], [4, 1, 5], True),
        (1, [0, 2, 1], [5, 3], False),
    ):
        clean, corrupted = _two_runs(random, batch)
        source = torch.randint(11, clean.shape, generator=random) if other_source else clean
        (clean_logits, _), (logits, own) = _cached(model, clean), _cached(model, corrupted)
        _, cache = _cached(model, source)
        base, top = metric(logits), metric(clean_logits)
        way, last = (top - base).mean(), positions[-1]

        def patched(
            layer,
            pos,
            *,
            tokens=corrupted,
            cache=cache,
            place="pre",
            value_of="pre",
            add=False,
            value_layer=None,
            rows=slice(None),
            before=(),
        ):
            def put(activation, hook, layer=layer, pos=pos):
                activation = activation.clone()
                value = cache[f"resid_{value_of}", layer if value_layer is None else value_layer]
                own = activation[rows, pos] if add else 0
                activation[rows, pos] = value[rows, pos] + own
                return activation

            name = f"hook_resid_{place}"
            hooks = [
                (f"blocks.{at}.{name}", lambda x, hook, at=at, one=one: put(x, hook, at, one))
                for at, one in [*before, (layer, pos)]
            ]
            with torch.no_grad():
                return metric(model.run_with_hooks(tokens, fwd_hooks=hooks))

        def piled() -> Tensor:
            cells = [(layer, pos) for layer in layers for pos in positions]  # noqa: B023
            found = [patched(*cell, before=cells[:i]) for i, cell in enumerate(cells)]  # noqa: B023
            return torch.stack(found).unflatten(0, (len(layers), -1))  # noqa: B023

        def swept(
            shift=0,
            *,
            at=lambda layer, pos: (layer, pos),
            layers=layers,
            positions=positions,
            **how,
        ) -> Tensor:
            return torch.stack(
                [
                    torch.stack([patched(*at(layer, pos + shift), **how) for pos in positions])
                    for layer in layers
                ]
            )

        values = swept()
        right = (values - base) / way
        mistakes = {
            "That is the metric after the patch: put it on the scale, 0 for corrupted, 1 for "
            "clean.": values,
            "Not divided by the way from corrupted to clean: 1 should be the clean run.": (
                values - base
            ),
            "The corrupted run's metric is not taken off: it should be at 0.": values / way,
            "Each prompt is divided by its own way, which may be near 0: divide by the mean over "
            "prompts.": (values - base) / (top - base),
            "Divided by the clean metric: the way goes from the corrupted to the clean run.": (
                values - base
            )
            / top.mean(),
            "The corrupted metric is averaged over prompts: each prompt starts from its own.": (
                values - base.mean()
            )
            / way,
            "The scale is turned round: 0 is the corrupted run, and 1 the clean one.": 1 - right,
            "The wrong direction: the *corrupted* run is patched, with activations of the "
            "source.": (swept(tokens=clean, cache=own) - base) / way,
            "The sign: `patched - corrupted` over `clean - corrupted`.": -right,
            "Every position is patched at once: only one at a time.": (
                swept(at=lambda layer, pos: (layer, slice(None))) - base
            )
            / way,
            "All positions from `pos` on are patched: only `pos` itself.": (
                swept(at=lambda layer, pos: (layer, slice(pos, None))) - base
            )
            / way,
            "The last position of the list is patched every time: a hook made in a loop sees the "
            "loop's variable as it is when it runs.": (
                swept(at=lambda layer, pos, last=last: (layer, last)) - base
            )
            / way,
            "Hooks made in a loop see the loop's layer and position as they are when they run: "
            "bind both, `def patch(own, hook, name=name, pos=pos)`.": (
                swept(at=lambda layer, pos, last=last: (layer, last), value_layer=layers[-1]) - base
            )
            / way,
            "Earlier patches are still at work in later cells: begin each run with its own hook "
            "alone.": (piled() - base) / way,
            "Only the first prompt is patched: take all rows, `own[:, pos]`.": (
                swept(rows=slice(1)) - base
            )
            / way,
            "The source's stream *after* the block is put in before it: take `hook_resid_pre` from "
            "the source too.": (swept(value_of="post") - base) / way,
            "The source's stream *before* the block is put in after it: hook `hook_resid_pre`.": (
                swept(place="post") - base
            )
            / way,
            "Every cell holds the last patch.": right[-1, -1].expand_as(right),
            "Off by one: positions count from 0, and BOS stands there.": (swept(-1) - base) / way,
            "That is the stream *after* the block: `hook_resid_pre` is before it.": (
                swept(place="post", value_of="post") - base
            )
            / way,
            "The source was *added*: put it in the place of what was there.": (
                swept(add=True) - base
            )
            / way,
            "Nothing is patched: the hook must return the activation that it changed.": (
                torch.zeros_like(right)
            ),
            "The axes are [layer, position, batch]: yours are [position, layer, batch].": (
                right.transpose(0, 1)
            ),
            "Keep the prompts: one number for each of them, [layer, position, batch].": (
                right.mean(-1)
            ),
            "The cells are cut off at 0 and 1: a patch can do harm, or more than the clean run.": (
                right.clamp(0, 1)
            ),
            "The layers are in order of size: keep the order of `layers`.": (
                (swept(layers=sorted(layers)) - base) / way
            ),
            "The positions are in order of size: keep the order of `positions`.": (
                (swept(positions=sorted(positions)) - base) / way
            ),
        }
        if other_source:
            _, clean_cache = _cached(model, clean)
            mistakes["`source` is ignored: where it is given, activations come from it."] = (
                swept(cache=clean_cache) - base
            ) / way
            to_source = (metric(_cached(model, source)[0]) - base).mean()
            mistakes["Normalised by the source run: 1 is the *clean* run, whatever the source."] = (
                values - base
            ) / to_source
        given = {"source": source} if other_source else {}
        graphs = []

        def read(logits, graphs=graphs):
            graphs.append(logits.requires_grad)
            return metric(logits)

        try:
            got = stream_sweep(
                model, corrupted, clean, read, layers=layers, positions=positions, **given
            )
        except Wrong as wrong:
            if "hook_in" not in str(wrong):
                raise
            raise Wrong(
                "`hook.name` may be another name of the same hook (here `blocks.2.hook_in`), which "
                "your tensors are not kept under: use your own name, `name=name` in the hook."
            ) from None
        match(
            got,
            right,
            what=f"The sweep of {_rows(batch)} over layers {layers} and positions {positions}",
            mistakes=mistakes,
        )
        expect(
            not any(graphs),
            "The numbers are right, but your runs keep what a gradient would need, gigabytes on "
            "the course's model: make all runs under `with torch.no_grad():`.",
        )
    return "Every cell is a run of its own, on a scale from corrupted to clean."


@exercise("utils.circuits.patches.corruptions")
def check_corruptions(corruptions) -> str:
    """Planted prompts of two names, in both orders."""
    random = torch.Generator().manual_seed(1)
    for batch, places in ((3, (1, 3, 6)), (2, (4, 2, 5)), (1, (2, 5, 7))):
        tokens = torch.randint(20, 60, (batch, 9), generator=random)
        names = torch.stack([torch.randperm(20, generator=random)[:3] for _ in range(batch)])
        io, s, spare = names.T
        at = dict(zip(("IO", "S1", "S2"), places, strict=True))
        for label, name in (("IO", io), ("S1", s), ("S2", s)):
            tokens[:, at[label]] = name

        def arranged(one, other, again, tokens=tokens, at=at) -> Tensor:
            changed = tokens.clone()
            changed[:, at["IO"]], changed[:, at["S1"]], changed[:, at["S2"]] = one, other, again
            return changed

        right = {
            "position": arranged(s, io, s),
            "answer": arranged(s, io, io),
            "both": arranged(io, s, io),
        }
        names_of = {"io": io, "s": s, "spare": spare, "positions": {**at, "END": 8}, "texts": ()}
        swapped = SimpleNamespace(tokens=right["both"].clone(), **names_of)
        prompts = SimpleNamespace(
            tokens=tokens, swapped=lambda swapped=swapped: swapped, **names_of
        )
        got = corruptions(prompts)
        expect(
            isinstance(got, dict) and set(got) >= set(right),
            'Return a dictionary with the three keys "position", "answer" and "both".',
        )
        for kind, wanted in right.items():
            there = got[kind][:, list(places), None] == names[:, None, :2]
            expect(
                bool(there.any(-1).all()),
                f'"{kind}" has a name in it that was not in the prompt: use the same two names.',
            )
            mistakes = {
                f'"{kind}" is the clean prompt: nothing has changed.': tokens,
                f'"{kind}": one name fills all three places.': arranged(s, s, s),
                f'"{kind}": one of the first two names is there twice, so no answer is left.': (
                    arranged(s, s, io)
                ),
                f'"{kind}" has the other order of roles at IO and S1: `positions["IO"]` is where '
                "the right name stood in the clean prompt.": arranged(io, io, s),
            }
            named = {
                "position": "the answer is the same and the other place is repeated",
                "answer": "the other name is right and the same place is repeated",
                "both": "the other name is right and the other place is repeated",
            }
            for other, tokens_of_other in right.items():
                if other != kind:
                    mistakes[
                        f'Under "{kind}" stands the run in which {named[other]}: that is "{other}".'
                    ] = tokens_of_other
            match(got[kind], wanted, what=f'"{kind}", of {_rows(batch)}', mistakes=mistakes)
    return "Three runs that differ in one thing, in the other, and in both."


def _path(
    model,
    tokens: Tensor,
    source: Tensor,
    *,
    sender: tuple[int, int],
    receivers: list[tuple[int, int]],
    into: str,
    hold_mlps: bool,
    hold_heads: bool = True,
    whole_sender: bool = False,
    whole_receiver: bool = False,
    hold_last: bool = False,
    free_own_mlp: bool = False,
    last_position: bool = False,
    second_pass: bool = False,
    from_source: bool = False,
    chained: bool = False,
    chained_at_end: bool = False,
    mlps_of_source: bool = False,
    hold_last_mlps: bool = False,
    caches_exchanged: bool = False,
    last_on_source: bool = False,
    as_position: bool = False,
) -> Tensor:
    """Path patching, with the mistakes that one can make."""
    (_, own), (_, other) = _cached(model, tokens), _cached(model, source)
    own, other = (other, own) if caches_exchanged else (own, other)
    n_layers, read = model.cfg.n_layers, {}

    def z_of(layer: int) -> Tensor:
        z = own["z", layer].clone()
        heads = slice(None) if whole_sender else sender[1]
        if layer == sender[0] and as_position:
            z[:, heads] = other["z", layer][:, heads]
        elif layer == sender[0]:
            z[:, :, heads] = other["z", layer][:, :, heads]
        return z

    def hold(layer: int):
        return lambda z, hook: z_of(layer) if hold_heads or layer == sender[0] else z

    def keep(layer: int):
        def hook_(value, hook):
            read[layer] = other[into, layer] if from_source else value.clone()
            return value

        return hook_

    def put(layer: int):
        def hook_(value, hook):
            value = value.clone()
            for of_layer, head in receivers:
                if of_layer == layer:
                    heads = slice(None) if whole_receiver else head
                    at = slice(-1, None) if last_position else slice(None)
                    value[:, at, heads] = read[layer][:, at, heads]
            return value

        return hook_

    def own_mlp(layer: int):
        return lambda out, hook: (other if mlps_of_source else own)["mlp_out", layer]

    def end_of_sender(z, hook):
        z = z.clone()
        z[:, -1, sender[1]] = other["z", sender[0]][:, -1, sender[1]]
        return z

    def hooks(end: str, make) -> list:
        return [(f"blocks.{layer}.{end}", make(layer)) for layer in range(n_layers)]

    mlps = hooks("hook_mlp_out", own_mlp) if hold_mlps else []
    mlps = mlps[sender[0] + 1 :] if free_own_mlp else mlps
    with torch.no_grad():
        frozen = [*hooks("attn.hook_z", hold), *mlps]
        logits = model.run_with_hooks(
            tokens, fwd_hooks=[*frozen, *hooks(f"attn.hook_{into}", keep)]
        )
        if second_pass:
            return logits
        last = hooks(f"attn.hook_{into}", put)
        if chained:
            last += hooks("attn.hook_z", hold)[sender[0] : sender[0] + 1]
        if hold_last:
            last += [
                (f"blocks.{i}.attn.hook_z", hold(i))
                for i in range(n_layers)
                if i not in {layer for layer, _ in receivers} and i != sender[0]
            ]
        if chained_at_end:
            last.append((f"blocks.{sender[0]}.attn.hook_z", end_of_sender))
        if hold_last_mlps:
            last += hooks("hook_mlp_out", own_mlp)
        return model.run_with_hooks(source if last_on_source else tokens, fwd_hooks=last)


@exercise("utils.circuits.patches.path_patch")
def check_path_patch(path_patch) -> str:
    """Tiny models with shared keys and values, their paths followed one by one."""
    random = torch.Generator().manual_seed(2)
    models = {n: _tiny(random, n_layers=n, scale=0.6, grouped=True) for n in (4, 5)}
    for n_layers, batch, sender, receivers, into, hold_mlps in (
        (4, 2, (0, 1), [(2, 2)], "q", True),
        (4, 2, (0, 2), [(2, 1)], "v", False),
        (5, 1, (0, 3), [(1, 1), (2, 0), (4, 1)], "k", False),
        (5, 3, (1, 2), [(2, 1)], "v", True),
    ):
        model = models[n_layers]
        tokens, source = _two_runs(random, batch)
        asked = {"sender": sender, "receivers": receivers, "into": into}

        def follow(model=model, tokens=tokens, source=source, asked=asked, mlps=hold_mlps, **how):
            return _path(model, tokens, source, **{**asked, "hold_mlps": mlps, **how})

        right = follow()
        got = path_patch(model, tokens, source, hold_mlps=hold_mlps, **asked)
        names = ", ".join(f"L{layer}H{head}" for layer, head in receivers)
        what = f"The logits of {_rows(batch)}, L{sender[0]}H{sender[1]} into {into} of {names},"
        with suppress(Wrong):  # the mistakes take two dozen runs, which a right answer need not
            match(got, right, what=what, mistakes={})
            continue
        unpatched, _ = _cached(model, tokens)
        mistakes = {
            "Nothing has changed. Does the last pass put in what the receivers would read, and "
            "does that hook return it?": unpatched,
            "Held MLPs give what they give in `source`: take theirs from the run on `tokens`.": (
                follow(mlps_of_source=True)
            ),
            "The two caches are exchanged: heads are held at `tokens`, and the sender's output "
            "comes from `source`.": follow(caches_exchanged=True),
            "The last pass runs on `source`: run it on `tokens`.": follow(last_on_source=True),
            "The sender's number is taken for a position: `z` is [batch, pos, head, d_head], so "
            "write `z[:, :, head]`.": follow(as_position=True),
            "MLPs are still held in the last pass: what follows from the receivers is free to "
            "happen.": follow(hold_last_mlps=True),
            "The sender is patched in the last pass too, at the last position: nothing but the "
            "receivers' input changes there.": follow(chained_at_end=True),
            "Receivers beyond layer 3 read no change: set hooks in all `model.cfg.n_layers` "
            "layers.": follow(receivers=[each for each in receivers if each[0] < 4]),
            'For "k" and "v" the receivers are key-value heads already: take their numbers as they '
            "are.": follow(receivers=[(layer, head // 2) for layer, head in receivers])
            if into != "q"
            else unpatched,
            "The other heads are not held in the second pass, so the change also reaches the "
            "receivers through them.": follow(hold_heads=False),
            f"`hold_mlps` is {hold_mlps}, and yours does the opposite.": follow(mlps=not hold_mlps),
            "The MLP of the sender's own layer must be held too: it comes after the attention, and "
            "reads the sender.": follow(free_own_mlp=True),
            "That is the second pass, in which heads are held. Run once more with nothing held, "
            "and only the receivers' input changed.": follow(second_pass=True),
            "Other heads are still held in the last pass: what follows from the receivers is free "
            "to happen.": follow(hold_last=True),
            "The whole layer of the sender is exchanged: only its head.": follow(whole_sender=True),
            "All heads of the receivers' layers read the change: only the receivers.": follow(
                whole_receiver=True
            ),
            "The runs are exchanged: `tokens` is patched, `source` gives the sender's output.": (
                follow(tokens=source, source=tokens)
            ),
            "The receivers read what they read in `source`. They should read `tokens` with one "
            "sender changed.": follow(from_source=True),
            "The sender is patched in the last pass too: all that reads it then changes, and not "
            "the receivers alone.": follow(chained=True),
            "Only the last position's input is changed: all of them.": follow(last_position=True),
            "The path ends in the queries, whatever `into` says.": follow(into="q")
            if into != "q"
            else unpatched,
            "Only the first receiver reads the change.": follow(receivers=receivers[:1]),
            "Only the last receiver reads the change: does a hook made in a loop see the loop's "
            "variables as they are at its end?": follow(receivers=receivers[-1:]),
        }
        match(
            got,
            right,
            what=what,
            mistakes={
                message: value
                for message, value in mistakes.items()
                if value.shape != right.shape or not torch.allclose(value, right, atol=1e-4)
            },
        )
    return "The receivers read one changed term; all that follows from it is free to happen."


@investigation("first_link", course=(16, 0, "k"))
def check_first_link(first_link) -> str:
    """The head whose path into the keys of layer 17 carries the most."""
    if isinstance(first_link, (list, tuple)) and len(first_link) == 2:
        head, into = first_link
        first_link = (head, head, into) if isinstance(head, str) else (*head, into)
    layer, head, into = first_link
    expect(
        isinstance(into, str) and into.lower() in ("q", "k", "v"),
        'The third part of the answer is the input: "q", "k" or "v".',
    )
    expect(
        not isinstance(layer, str) and not isinstance(head, str),
        'Give layer and head as two numbers: `(3, 1, "v")` for the values of L3H1.',
    )
    into = into.lower()
    expect(head < 9, "The layer comes first, then the head: each layer has nine, from 0 to 8.")
    expect(
        layer < 17,
        "That head is not before layer 17, so L17H4 cannot read it.",
    )
    if (layer, head) == (16, 0):
        expect(
            into != "q",
            "The head is right, the input is not. L17H4 asks from S2, where the head that tells "
            "it does not work: what matters is by which input other positions *find* its mark.",
        )
        expect(
            into != "v",
            "The head is right, the input is not. Values are what L17H4 moves; the question is "
            "what decides *where* it looks.",
        )
    expect(
        (layer, head) == (16, 0),
        "Another head carries far more. Was the corruption one that changes the first two names? "
        "Try the heads that look most at the position before, in the layers just below 17, too.",
    )
    return "L16H0 marks each word with the one before it, and L17H4 finds the mark by its keys."


@exercise("utils.circuits.patches.attribution_patching", keeps_gradient=False)
def check_attribution_patching(attribution_patching) -> str:
    """A tiny model; the slope along each head's patch is taken by a step size of its own."""
    random = torch.Generator().manual_seed(3)
    models = {n: _tiny(random, n_layers=n, scale=0.5) for n in (3, 2)}
    metric = _reader(random)
    for n_layers, batch, name in (
        (3, 3, "attn.hook_z"),
        (2, 1, "attn.hook_z"),
        (3, 2, "attn.hook_q"),
    ):
        model = models[n_layers]
        tokens, source = _two_runs(random, batch)
        kind = name[-1]

        def slopes(
            tokens=tokens,
            source=source,
            kind=kind,
            batch=batch,
            cut=False,
            only=None,
            own_too=False,
            name=name,
            model=model,
            n_layers=n_layers,
        ):
            """Of the metric in a step towards the source, [layer, head, batch]."""
            (_, own), (_, other) = _cached(model, tokens), _cached(model, source)
            step = torch.zeros(n_layers, 3, batch, requires_grad=True)

            def towards(layer: int):
                to = other[kind, layer] - (0 if own_too else own[kind, layer])
                if only is not None:
                    to = to * (torch.arange(6) == only)[:, None, None]

                def hook_(activation, hook):
                    activation = activation.detach() if cut else activation
                    return activation + step[layer].T[:, None, :, None] * to

                return hook_

            hooks = [(f"blocks.{layer}.{name}", towards(layer)) for layer in range(n_layers)]
            with torch.enable_grad():
                logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
                return torch.autograd.grad(metric(logits).sum(), step)[0]

        right = slopes()
        try:
            got = attribution_patching(model, tokens, source, metric, name=name)
        except Wrong as wrong:
            if "NoneType" not in str(wrong) and "not have been used in the graph" not in str(wrong):
                raise
            raise Wrong(
                "The activation that you kept has no gradient: the hook must return it, so that "
                "the run goes on with the same tensor."
            ) from None
        named = {
            "`name` is ignored: these are estimates for `attn.hook_z`.": slopes(
                kind="z", name="attn.hook_z"
            )
        }
        match(
            got,
            right,
            what=f"The estimates, [layer, head, batch], of {_rows(batch)} for {name}",
            mistakes=(named if kind == "q" else {})
            | {
                "The sign: the patch goes *from* the run's own activation *to* the source's.": (
                    -right
                ),
                "The run's own activation is missing: a patch changes it by source minus own.": (
                    slopes(own_too=True)
                ),
                "The gradient is taken on the `source` run: it belongs to the run that is "
                "patched.": -slopes(source, tokens),
                "The runs are exchanged: `tokens` is patched, from `source`.": slopes(
                    source, tokens
                ),
                "The gradient of the *mean* metric is divided by the number of prompts: take that "
                "of the sum, so that each prompt has its own.": right / batch,
                "Keep the prompts: [layer, head, batch].": right.sum(-1),
                "You averaged over prompts: [layer, head, batch].": right.mean(-1),
                "The axes are [layer, head, batch]: yours are [layer, batch, head].": (
                    right.transpose(1, 2)
                ),
                "You averaged over positions: a head is patched at all of them, so sum.": right / 6,
                "You averaged over coordinates: a dot product is a sum.": right / 4,
                "You averaged over positions and coordinates: sum.": right / 24,
                "Only the last position counts in yours: a head is patched at all of them.": slopes(
                    only=5
                ),
                "The sign is lost: it tells which patches do harm.": right.abs(),
                "Your hook cuts the graph: what later layers make of an earlier head's change "
                "through their attention is missing. Keep the activation itself, without "
                "`.detach()`.": slopes(cut=True),
                "Only the last layer: did every hook keep its activation under the same key?": (
                    right[-1:].expand_as(right)
                ),
            },
        )
    return "Every head's estimate, from two passes forward and one backward."


@exercise("utils.circuits.patches.qk_fix")
def check_qk_fix(qk_fix) -> str:
    """Random queries and keys, the attention worked out row by row."""
    random = torch.Generator().manual_seed(4)
    for batch, n_pos, n_heads, n_shared, d_head in (
        (2, 4, 6, 2, 3),
        (3, 3, 2, 2, 5),
        (1, 5, 4, 2, 2),
    ):
        queries = 1.5 * torch.randn(batch, n_pos, n_heads, d_head, generator=random)
        keys = 1.5 * torch.randn(batch, n_pos, n_shared, d_head, generator=random)
        gradient = torch.randn(batch, n_heads, n_pos, n_pos, generator=random)
        pattern = torch.randn(batch, n_heads, n_pos, n_pos, generator=random)
        future = torch.ones(n_pos, n_pos).triu(1).bool()
        pattern = pattern.masked_fill(future, -torch.inf).softmax(-1)
        share = n_heads // n_shared

        def attends(
            *,
            root=True,
            mask=True,
            axis=-1,
            late=False,
            fill=-torch.inf,
            diagonal=1,
            key_of=lambda h, share=share: h // share,
            queries=queries,
            keys=keys,
            n_pos=n_pos,
        ) -> Tensor:
            rows = []
            for head in range(queries.shape[2]):
                scores = queries[:, :, head] @ keys[:, :, key_of(head)].transpose(1, 2)
                scores = scores / queries.shape[-1] ** 0.5 if root else scores
                blocked = torch.ones(n_pos, n_pos).triu(diagonal).bool()
                if mask and not late:
                    scores = scores.masked_fill(blocked, fill)
                made = scores.softmax(axis)
                rows.append(made.masked_fill(blocked, 0) if late else made)
            return torch.stack(rows, dim=1)

        def fixed(new: Tensor, gradient=gradient, pattern=pattern) -> Tensor:
            return (gradient * (new - pattern)).sum((2, 3)).T

        right, product = fixed(attends()), gradient * (attends() - pattern)
        mistakes = {
            "The sign: the new pattern minus the run's own.": -right,
            "The run's own pattern is missing: the effect comes from the change.": (
                (gradient * attends()).sum((2, 3)).T
            ),
            "The scores are not divided by the root of `d_head`.": fixed(attends(root=False)),
            "Queries look ahead: fill the future with minus infinity before the softmax.": fixed(
                attends(mask=False)
            ),
            "The future is set to 0 *after* the softmax, so that rows do not sum to 1: fill it "
            "with minus infinity before.": fixed(attends(late=True)),
            "The future is filled with 0 before the softmax, which is a score like any other: fill "
            "it with minus infinity.": fixed(attends(fill=0.0)),
            "The softmax runs over the queries, the future filled: keys are the last axis.": fixed(
                attends(axis=1)
            ),
            "A query may look at itself: the future begins above the diagonal, `triu(1)`.": fixed(
                attends(fill=-1e9, diagonal=0)
            ),
            "The keys are repeated as a whole. Neighbouring query heads share a key-value head: "
            "`repeat_interleave`.": fixed(
                attends(key_of=lambda h, n_shared=n_shared: h % n_shared)
            ),
            "All query heads use the first key-value head.": fixed(attends(key_of=lambda h: 0)),
            "The axes are [head, batch]: yours are [batch, head].": right.T,
            "You averaged over queries and keys: sum.": product.mean((2, 3)).T,
            "You averaged over prompts: [head, batch].": right.mean(-1),
            "Keep the prompts: [head, batch].": right.sum(-1),
            "Only the last query counts in yours: sum over queries.": product[:, :, -1].sum(-1).T,
            "The sign of each product is lost.": product.abs().sum((2, 3)).T,
        }
        if not torch.allclose(attends(axis=1, mask=False), attends(mask=False)):
            mistakes["The softmax runs over the queries: keys are the last axis."] = fixed(
                attends(axis=1, mask=False)
            )
        got = qk_fix(gradient, pattern, queries, keys)
        expect(
            not (isinstance(got, Tensor) and got.ndim == 2 and bool(got.isnan().any())),
            "NaN: some query has no key left. It may look at itself, so the future begins above "
            "the diagonal, `triu(1)`.",
        )
        match(
            got,
            right,
            what=f"The estimates, [head, batch], of {_rows(batch)} and {n_heads} query heads on "
            f"{n_shared} key-value heads",
            mistakes={
                what: value
                for what, value in mistakes.items()
                if value.shape != right.shape or not torch.allclose(value, right, atol=1e-3)
            },
        )
    return "The pattern is exact now; only what follows from it is estimated."
