"""Checks of lesson 00, meet the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from utils.checks.engine import Wrong, exercise, expect, investigation, match
from utils.checks.inputs import described


def _native():
    """Three blocks of random weights, large enough for each component to matter."""
    from transformer_lens.model_bridge import TransformerBridge

    sizes = {"n_layers": 3, "d_model": 12, "n_heads": 2, "d_head": 6, "d_mlp": 20, "d_vocab": 11}
    kind = {"n_ctx": 8, "normalization_type": "RMS", "seed": 0}  # a LayerNorm takes constants off
    # No position embedding: the stream is what components write.
    kind |= {"positional_embedding_type": "rotary", "rotary_dim": 6}
    with torch.random.fork_rng(devices=[]):
        model = TransformerBridge.boot_native(sizes | kind, device="cpu")
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=random))
            weight.requires_grad_(False)
    return model.eval()


@contextmanager
def _says(messages: dict[str, str]) -> Iterator[None]:
    """What to say instead where the engine's sentence about a call holds certain words."""
    try:
        yield
    except Wrong as wrong:
        for words, message in messages.items():
            if words in str(wrong):
                raise Wrong(message) from None
        raise


LEFT_ON = (
    "A hook is still on the model after your function. `model.run_with_hooks(tokens, "
    "fwd_hooks=[(name, hook)])` takes it off again."
)


def _runs() -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randint(11, shape, generator=random) for shape in ((2, 5), (1, 4))]


def _hooked(model, tokens: Tensor, change: dict) -> Tensor:
    """Logits of a run in which each named activation becomes what its function makes of it."""
    hooks = [(name, lambda x, hook, how=how: how(x)) for name, how in change.items()]
    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=hooks)


def _first_row(x: Tensor) -> Tensor:
    x = x.clone()
    x[0] = 0
    return x


def _only_at(x: Tensor, position: int | slice) -> Tensor:
    x = x.clone()
    x[:, position] = 0
    return x


@exercise("utils.circuits.residual.zero_ablated")
def check_zero_ablated(zero_ablated) -> str:
    """A small model of random weights; four components, two batches."""
    model = _native()
    names = ("blocks.1.hook_attn_out", "blocks.0.hook_mlp_out", "blocks.2.hook_mlp_out")
    for tokens in _runs():
        intact = _hooked(model, tokens, {})
        for name in names:
            right = _hooked(model, tokens, {name: torch.zeros_like})
            with _says({"input `model`": LEFT_ON}):
                got = zero_ablated(model, tokens, name)
            if isinstance(got, (list, tuple)):
                raise Wrong("Return the logits alone, one tensor.")
            layer, kind = int(name.split(".")[1]), name.split(".")[2]
            other = {"hook_attn_out": "hook_mlp_out", "hook_mlp_out": "hook_attn_out"}[kind]
            mistakes = {
                "Nothing was ablated: these are the intact logits. Does your hook `return` the "
                "zeros, and is it in `fwd_hooks`, under `name`?": intact,
                "Only the last position is ablated: a component writes at every position.": _hooked(
                    model, tokens, {name: lambda x: _only_at(x, -1)}
                ),
                "Only position 0 is ablated: a component writes at every position.": _hooked(
                    model, tokens, {name: lambda x: _only_at(x, 0)}
                ),
                "Position 0 is left as it was: a component writes at every position.": _hooked(
                    model, tokens, {name: lambda x: _only_at(x, slice(1, None))}
                ),
                "The activation is halved, as in the example: put zeros there.": _hooked(
                    model, tokens, {name: lambda x: x / 2}
                ),
                "Only the last position's logits are there: return them all, [batch, pos, "
                "d_vocab].": right[:, -1],
                "Only the first text's logits are there: keep the batch.": right[0],
                "Those are log-probabilities: return the logits as the model gives them.": (
                    right.log_softmax(-1)
                ),
                "Those are probabilities: return the logits as the model gives them.": (
                    right.softmax(-1)
                ),
                "You put ones in its place: zeros, please.": _hooked(
                    model, tokens, {name: torch.ones_like}
                ),
                "That is mean ablation: put zeros there.": _hooked(
                    model,
                    tokens,
                    {name: lambda x: x.mean((0, 1), keepdim=True).expand_as(x)},
                ),
                "You ablated the block's other component: use `name` as it comes.": _hooked(
                    model, tokens, {f"blocks.{layer}.{other}": torch.zeros_like}
                ),
                "You ablated the whole block: only the component called `name`.": _hooked(
                    model,
                    tokens,
                    {f"blocks.{layer}.{each}": torch.zeros_like for each in (kind, other)},
                ),
                "That is the difference from the intact run: return the ablated logits.": (
                    right - intact
                ),
                "That is the difference from the intact run: return the ablated logits "
                "themselves.": intact - right,
            }
            for wrong in range(3):
                if wrong != layer:
                    message = f"You ablated layer {wrong}, and `name` is {name!r}: use `name`."
                    found = _hooked(model, tokens, {f"blocks.{wrong}.{kind}": torch.zeros_like})
                    mistakes[message] = found
            if len(tokens) > 1:
                mistakes["Only the first text of the batch is ablated."] = _hooked(
                    model, tokens, {name: _first_row}
                )
            match(got, right, what=f"The logits without {name}", mistakes=mistakes)
    return "The component writes nothing, and the hook is gone again."


class _Layers(torch.nn.Module):
    """Stands in for a model: its intact logits, and those of a run without each component."""

    def __init__(self, n_layers: int, batch: int, random: torch.Generator):
        super().__init__()
        self.cfg = type("Config", (), {"n_layers": n_layers})()
        self.logits = 2 * torch.randn(batch, 4, 7, generator=random)
        self.without = {
            f"blocks.{layer}.hook_{part}_out": 2 * torch.randn(batch, 4, 7, generator=random)
            for layer in range(n_layers)
            for part in ("attn", "mlp")
        }
        self.blocks = torch.nn.ModuleList(torch.nn.Identity() for _ in range(n_layers))

    def forward(self, tokens: Tensor, **_) -> Tensor:
        return self.logits.clone()

    def run_with_cache(self, tokens: Tensor, **_) -> tuple[Tensor, dict]:
        return self(tokens), {}

    def run_with_hooks(self, tokens: Tensor, fwd_hooks=(), **_) -> Tensor:
        if fwd_hooks:
            raise Wrong("For a run without a component call `ablate(model, tokens, name)`.")
        return self(tokens)


@exercise("utils.circuits.residual.ablation_sweep")
def check_ablation_sweep(ablation_sweep) -> str:
    """Planted logits for every ablation; the costs are worked out one by one."""
    random = torch.Generator().manual_seed(2)
    for n_layers, batch in ((3, 3), (4, 1)):
        model = _Layers(n_layers, batch, random)
        tokens = torch.randint(7, (batch, 4), generator=random)
        answers = torch.randperm(7, generator=random)[:batch]

        def ablate(model, tokens, name: str):
            if name not in model.without:
                raise Wrong(
                    f"You asked for {name!r}. The components are 'blocks.L.hook_attn_out' and "
                    f"'blocks.L.hook_mlp_out', with L from 0 to {model.cfg.n_layers - 1}."
                )
            return model.without[name].clone()

        def table(read, model=model, n_layers=n_layers) -> Tensor:
            """[kind, layer, batch] of what `read` makes of the ablated logits."""
            rows = [
                [read(model.without[f"blocks.{i}.hook_{part}_out"]) for i in range(n_layers)]
                for part in ("attn", "mlp")
            ]
            return torch.stack([torch.stack(row) for row in rows])

        def at(values: Tensor, position: int = -1, ids=answers) -> Tensor:
            rows = zip(values[:, position], ids.tolist(), strict=True)
            return torch.stack([row[i] for row, i in rows])

        def scored(how, position: int = -1, ids=answers, model=model, at=at, table=table):
            """Intact minus ablated, of the logits after `how`."""
            intact = at(how(model.logits), position, ids)
            return intact - table(lambda logits: at(how(logits), position, ids))

        def logs(logits: Tensor) -> Tensor:
            return logits - logits.exp().sum(-1, keepdim=True).log()

        right = scored(logs)
        every = (
            "`damage[kind, layer]` has one number for each prompt, and what you put there has "
            "another shape. `logits[..., answers]` takes *every* answer in every row: use "
            "`answer_log_probs(logits, answers)`."
        )
        with _says({"expand": every}):
            got = ablation_sweep(model, tokens, answers, ablate)
        if isinstance(got, (list, tuple)):
            raise Wrong("Return one tensor, [kind, layer, batch]: fill one made by `torch.zeros`.")
        mistakes = {
            "The sign: damage is the intact log-probability minus the ablated one.": -right,
            "The sign of the damage is lost: an ablation may help the answer, too.": right.abs(),
            "Negative damage has become 0: an ablation may help the answer, too.": right.clamp(
                min=0
            ),
            "Kinds and layers are mixed up: fill row 0 with attention, and row 1 with the MLPs.": (
                right.transpose(0, 1).reshape(right.shape)
            ),
            "Those are the ablated log-probabilities. Compare them with the intact run's.": table(
                lambda logits: at(logs(logits))
            ),
            "Those are differences of logits: turn them into log-probabilities first.": scored(
                lambda logits: logits
            ),
            "Those are differences of probabilities. Compare their logarithms.": scored(
                lambda logits: logits.softmax(-1)
            ),
            "You read the first position: the answer is predicted at the last.": scored(logs, 0),
            "You averaged over the positions: the answer is predicted at the last.": torch.stack(
                [scored(logs, position) for position in range(4)]
            ).mean(0),
            "Row 0 is attention and row 1 the MLPs: yours are the other way round.": right.flip(0),
            "The axes should be [kind, layer, batch].": right.transpose(0, 1),
            "The axes should be [kind, layer, batch]; yours are in another order.": right.movedim(
                -1, 0
            ),
            "The axes should be [kind, layer, batch]: keep kind and layer apart.": right.flatten(
                0, 1
            ),
            "You averaged over the batch: keep one number for each prompt.": right.mean(-1),
            "You summed over the batch: keep one number for each prompt.": right.sum(-1),
            "Only the first prompt is there: keep one number for each prompt.": right[..., 0],
            "The last layer is left out: `range(n_layers)` already stops before n_layers.": (
                right[:, :-1]
            ),
            "The last layer stays at 0: `range(n_layers)` already stops before n_layers.": (
                torch.cat([right[:, :-1], torch.zeros_like(right[:, -1:])], 1)
            ),
            "Layer 0 stays at 0: count layers from 0.": torch.cat(
                [torch.zeros_like(right[:, :1]), right[:, 1:]], 1
            ),
            "Every layer has the last one's damage: is something overwritten in the loop?": (
                right[:, -1:].expand_as(right)
            ),
            "Both rows are those of attention.": right[:1].expand_as(right),
            "Both rows are those of the MLPs.": right[1:].expand_as(right),
            "All prompts were scored on the first one's answer: each has its own.": scored(
                logs, ids=answers[:1].expand(batch)
            ),
            "A batch of one prompt keeps its axis, [2, n_layers, 1].": right.squeeze(),
        }
        match(got, right, what=f"The damage in {batch} prompts", mistakes=mistakes)
    return "Every component once, each against the intact run."


@exercise("utils.circuits.residual.direct_effects")
def check_direct_effects(direct_effects) -> str:
    """A small model of random weights, its final norm's too; parts of different lengths."""
    model = _native()
    random = torch.Generator().manual_seed(3)
    for n_parts, answer in ((5, 7), (3, 2), (1, 10)):
        parts = torch.randn(n_parts, 12, generator=random) * torch.rand(
            n_parts, 1, generator=random
        )

        def logits(vectors: Tensor) -> Tensor:
            return model.ln_final(vectors) @ model.W_U

        def table(left: Tensor, final: Tensor, how, answer=answer, logits=logits) -> Tensor:
            """What each row of `left` loses against `final`, of the logits after `how`."""
            return how(logits(final))[answer] - how(logits(left))[:, answer]

        def logs(x: Tensor) -> Tensor:
            return x.log_softmax(-1)

        with torch.no_grad():
            final = parts.sum(0)
            left = final - parts
            right = table(left, final, logs)
            got = direct_effects(model, parts, answer)
            if isinstance(got, (list, tuple)):
                raise Wrong("Return one tensor: put your list through `torch.stack`.")
            scale = model.ln_final(final) / final
            match(
                got,
                right,
                what=f"The direct effects of {n_parts} parts",
                mistakes={
                    "The sign: what is lost is the log-probability from the whole sum, minus that "
                    "from the sum without the part.": -right,
                    "Those are the log-probabilities without each part: compare them with that "
                    "from the whole sum.": logs(logits(left))[:, answer],
                    "You kept the part alone. Take it out of the sum, and keep all others.": table(
                        parts, final, logs
                    ),
                    "You took out one part after another. Each time start from the whole sum.": (
                        table(final - parts.cumsum(0), final, logs)
                    ),
                    "The final norm is missing: put each vector through `model.ln_final`.": (
                        logs(final @ model.W_U)[answer] - logs(left @ model.W_U)[:, answer]
                    ),
                    "You normalised the part before you subtracted it: first subtract, then "
                    "normalise what is left.": (
                        logs(logits(final))[answer]
                        - logs((model.ln_final(final) - model.ln_final(parts)) @ model.W_U)[
                            :, answer
                        ]
                    ),
                    "You kept the norm of the whole sum: normalise what is left anew.": (
                        logs(logits(final))[answer] - logs((left * scale) @ model.W_U)[:, answer]
                    ),
                    "Those are differences of logits: turn them into log-probabilities first.": (
                        table(left, final, lambda x: x)
                    ),
                    "Those are differences of probabilities. Compare their logarithms.": table(
                        left, final, lambda x: x.softmax(-1)
                    ),
                    "The part is added once more: subtract it.": table(final + parts, final, logs),
                    "The sign of the effect is lost: a part may write against the answer.": (
                        right.abs()
                    ),
                    "There is one number for each part, and yours are for each token: index the "
                    "log-probabilities by `answer`.": logs(logits(final)) - logs(logits(left)),
                    "That is what all parts lose together: return one number for each.": (
                        right.sum()
                    ),
                    "The last part is left out.": right[:-1],
                    "That is the last part alone: keep one number for each part.": right[-1],
                    "Every part has the last one's effect: is something overwritten in the loop?": (
                        right[-1:].expand_as(right)
                    ),
                },
            )
    return "Each part out of the sum once, and no component is run again."


def _alone(x: Tensor, source: Tensor, position: int) -> Tensor:
    return torch.zeros_like(x).index_copy(1, torch.tensor([position]), source[:, [position]])


def _moved(x: Tensor, source: Tensor, position: int) -> Tensor:
    return x.index_copy(1, torch.tensor([position]), source[:, :1])


@exercise("utils.circuits.residual.put_back")
def check_put_back(put_back) -> str:
    """A small model of random weights; two runs that differ at every position."""
    model = _native()
    for tokens, (layer, position) in zip(_runs(), ((1, 2), (2, 0)), strict=True):
        source = (tokens + 3) % 11
        name, n_pos = f"blocks.{layer}.hook_resid_pre", tokens.shape[1]
        with torch.no_grad():
            kept = {of: model.run_with_cache(of_)[1] for of, of_ in enumerate((tokens, source))}

        def patched(at=position, name=name, run=tokens, of=kept[1]) -> Tensor:
            def put(x: Tensor) -> Tensor:
                x = x.clone()
                x[:, at] = of[name][:, at]
                return x

            return _hooked(model, run, {name: put})

        def added(x: Tensor, of=kept[1], name=name, at=position) -> Tensor:
            x = x.clone()
            x[:, at] += of[name][:, at]
            return x

        right, kept_logits = patched(), _hooked(model, tokens, {})
        axes = (
            "An index does not fit. Axis 0 of the stream is the batch, and positions are axis 1: "
            "`resid[:, position]`."
        )
        whole = (
            "A hook must return the whole activation, [batch, pos, d_model], with one position "
            "changed. Yours seems to return that position alone."
        )
        says = {"input `model`": LEFT_ON, "out of bounds": axes}
        with _says(says | {"not enough values": whole, "Expected size": whole}):
            got = put_back(model, tokens, source, layer, position)
        if isinstance(got, (list, tuple)):
            raise Wrong("Return the logits alone, one tensor.")
        mistakes = {
            "Nothing was put back: these are the logits of `tokens`. Does your hook `return` what "
            "it changed? Does the vector come from the run on `source`?": kept_logits,
            "These are the logits of `source`: run the model on `tokens`, with one vector changed. "
            "Or did you put all positions back?": _hooked(model, source, {}),
            "The wrong way round: run on `tokens`, and take the vector from `source`.": patched(
                run=source, of=kept[0]
            ),
            "The vector is *added*: put it in the place of the old one.": _hooked(
                model, tokens, {name: added}
            ),
            "The position is set to zero: put the vector from `source` there.": _hooked(
                model, tokens, {name: lambda x, at=position: _only_at(x, at)}
            ),
            "All other positions are set to zero: leave them as they are.": _hooked(
                model, tokens, {name: partial(_alone, source=kept[1][name], position=position)}
            ),
            "The vector is the source's at position 0: take its vector at `position`.": _hooked(
                model, tokens, {name: partial(_moved, source=kept[1][name], position=position)}
            ),
            "Every position up to `position` is put back: only one should be.": patched(
                slice(0, position + 1)
            ),
            "Every position from `position` on is put back: only one should be.": patched(
                slice(position, None)
            ),
            "That is the stream within or *after* block `layer`, `hook_resid_mid` or "
            "`hook_resid_post`: take `hook_resid_pre`.": patched(
                name=f"blocks.{layer}.hook_resid_post"
            ),
            "You put back what the attention adds, not the stream: take `hook_resid_pre`.": patched(
                name=f"blocks.{layer}.hook_attn_out"
            ),
            "You put back what the MLP adds, or what it reads (`hook_resid_mid`), not the stream "
            "before the block: take `hook_resid_pre`.": patched(
                name=f"blocks.{layer}.hook_mlp_out"
            ),
            "Layers are off by one: `hook_resid_pre` of `layer` itself.": patched(
                name=f"blocks.{layer - 1}.hook_resid_pre"
            ),
            "Only the last position's logits are there: return them all, [batch, pos, d_vocab].": (
                right[:, -1]
            ),
            "Those are log-probabilities: return the logits.": right.log_softmax(-1),
            "Those are probabilities: return the logits.": right.softmax(-1),
        }
        for wrong in range(n_pos):
            if wrong != position:
                message = f"Position {wrong} is put back, and not position {position}."
                mistakes.setdefault(message, patched(wrong))
        if len(tokens) > 1:

            def first(x: Tensor, of=kept[1], name=name, at=position) -> Tensor:
                x = x.clone()
                x[0, at] = of[name][0, at]
                return x

            def same(x: Tensor, of=kept[1], name=name, at=position) -> Tensor:
                x = x.clone()
                x[:, at] = of[name][0, at]
                return x

            mistakes["Only the first text of the batch is patched."] = _hooked(
                model, tokens, {name: first}
            )
            mistakes["Every text got the first one's vector: row by row, please."] = _hooked(
                model, tokens, {name: same}
            )
        match(got, right, what="The logits", mistakes=mistakes)
    return "One vector from the other run, and everything after it computed anew."


@investigation("handover", course=(3, 23, 24))
def check_handover(handover) -> str:
    """What every patch of the Colosseum's run by the Eiffel Tower's gives."""
    expect(
        isinstance(handover, (list, tuple)) and len(handover) == 3,
        f"Give three numbers, (position, last layer, first layer); not {described(handover)}.",
    )
    expect(
        all(isinstance(n, int) and not isinstance(n, bool) for n in handover),
        "Give three whole numbers. Positions and layers count from 0, and BOS is position 0.",
    )
    position, last, first = handover
    expect(min(last, first) >= 0, "Layers and positions count from 0: give no negative layer.")
    position += 11 if position < 0 else 0
    expect(
        position != 4,
        "Position 4 holds ` Tower`, or `um`. Its vector weakens ` Rome`, but put it back before "
        "block 10, and ` Paris` does not come first.",
    )
    expect(
        position != 10,
        "Position 10 is the last one, which the third number is about. The first asks for the "
        "position in the landmark's name.",
    )
    expect(
        position == 3,
        f"Put position {position} back before block 10: ` Paris` does not win. Try the others of "
        "the landmark's name. BOS is position 0.",
    )
    expect(
        (last, first) != (22, 23),
        "Both layers are one too low. `put_back` patches the stream *before* block `layer`: give "
        "the `layer` that you called it with.",
    )
    expect(
        (last, first) != (24, 25),
        "Both layers are one too high: at your last layer position 3 repairs nothing any more.",
    )
    expect(
        last >= 23,
        f"Before block {last} position 3 does repair, but it is not the last layer at which it "
        "does. Halve what lies above it.",
    )
    expect(last == 23, f"Before block {last} position 3 repairs nothing. Halve what lies below.")
    expect(
        first >= 24,
        f"Before block {first} the last position, 10, repairs nothing yet. Halve what lies above.",
    )
    expect(
        first == 24,
        f"Before block {first} position 10 repairs, but it is not the first layer at which it "
        "does. Halve what lies below.",
    )
    return "The city leaves the landmark and reaches the last position within one block."


@exercise("utils.circuits.residual.logit_lens")
def check_logit_lens(logit_lens) -> str:
    """A small model of random weights, its final norm's too."""
    model = _native()
    for tokens in _runs():
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens)
        posts = torch.stack([cache[f"blocks.{i}.hook_resid_post"] for i in range(3)])
        pres = torch.stack([cache[f"blocks.{i}.hook_resid_pre"] for i in range(3)])
        mids = torch.stack([cache[f"blocks.{i}.hook_resid_mid"] for i in range(3)])
        mlps = torch.stack([cache[f"blocks.{i}.hook_mlp_out"] for i in range(3)])

        def lens(stream: Tensor, at=-1) -> Tensor:
            return (model.ln_final(stream) @ model.W_U)[:, :, at]

        with torch.no_grad():
            right = lens(posts)
            got = logit_lens(model, tokens)
            if isinstance(got, (list, tuple)):
                raise Wrong("Return one tensor: put your list through `torch.stack`.")
            own = posts / posts.pow(2).mean(-1, keepdim=True).sqrt()
            match(
                got,
                right,
                what="The lens, [layer, batch, d_vocab],",
                mistakes={
                    "The final norm is missing: put the stream through `model.ln_final` first.": (
                        (posts @ model.W_U)[:, :, -1]
                    ),
                    "You normalised in your own way: use `model.ln_final`.": (
                        (own @ model.W_U)[:, :, -1]
                    ),
                    "Those are probabilities: return logits.": right.softmax(-1),
                    "Those are log-probabilities: return logits.": right.log_softmax(-1),
                    "You read the stream *before* each block: take `hook_resid_post`.": lens(pres),
                    "You read the middle of each block: take `hook_resid_post`.": lens(mids),
                    "That is what each MLP adds alone. The lens reads the stream, "
                    "`hook_resid_post`.": lens(mlps),
                    "You read position 0: the next token is predicted at the last.": lens(posts, 0),
                    "You kept every position: take the last.": lens(posts, slice(None)),
                    "You averaged over the positions: take the last.": lens(
                        posts, slice(None)
                    ).mean(2),
                    "Every layer has the last one's logits: is the layer used in the loop?": (
                        right[-1:].expand_as(right)
                    ),
                    "That is the last layer alone: one row for each layer.": right[-1],
                    "The last layer is missing: `range(n_layers)` already stops before n_layers.": (
                        right[:-1]
                    ),
                    "The batch comes after the layers: stack along axis 0.": right.transpose(0, 1),
                    "A batch of one text keeps its axis.": right.squeeze(),
                    "Only the first text is there: keep the batch.": right[:, 0],
                    "That is the normalised stream: the unembedding is missing.": model.ln_final(
                        posts
                    )[:, :, -1],
                },
            )
    return "Stream, final norm, unembedding, after every block."
