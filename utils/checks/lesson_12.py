"""Checks of lesson 1.2, how induction is made."""

import itertools

import torch
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match


def _small_model(seed: int, **config) -> TransformerBridge:
    """A native model with random weights, large enough for small changes to show."""
    settings = {"d_model": 12, "d_head": 4, "n_ctx": 12, "attn_only": True, "act_fn": "gelu"}
    model = TransformerBridge.boot_native(settings | config)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            size = 0.3 if "ln" not in name else 0.4
            drawn = size * torch.randn(weight.shape, generator=random)
            weight.copy_(1 + drawn if "ln" in name else drawn)
            if name.endswith("bias"):
                weight.zero_()
    return model.eval()


def _random_tokens(model, batch: int, n_pos: int, *, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, model.cfg.d_vocab, (batch, n_pos), generator=random)


# ---- The tables of a two-layer model ------------------------------------------------------------


@exercise("utils.circuits.composition.circuit_tables")
def check_circuit_tables(circuit_tables) -> str:
    """Random weights, embeddings of very different lengths, and a score that sees every entry."""
    for n_heads, d_vocab, seed in ((3, 7, 0), (2, 5, 1)):
        model = _small_model(
            seed,
            n_layers=2,
            n_heads=n_heads,
            d_vocab=d_vocab,
            normalization_type="LNPre",
            positional_embedding_type="standard",
        )
        with torch.no_grad():
            lengths = torch.linspace(1, 6, d_vocab)[:, None]
            model.embed.weight.mul_(lengths).add_(0.5)
        weights = {
            name: getattr(model, name).detach().clone()
            for name in ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_U")
        }
        got = circuit_tables(model, _uneven)
        expect(
            isinstance(got, (tuple, list)) and len(got) == 2,
            "Return two tensors: matching, [sender, reader], and copying, [reader].",
        )
        for of, each in zip(("matching", "copying"), got, strict=True):
            expect(
                isinstance(each, torch.Tensor),
                f"The scores of {of} should be a tensor, not {type(each).__name__}.",
            )
        right = _matching(weights)
        match(
            got[0],
            right,
            what=f"Matching in a model of {n_heads} heads, [sender, reader],",
            mistakes={
                "The axes are swapped: rows are senders, heads of layer 0; columns are readers.": (
                    right.T
                ),
                "The tables are transposed: a row is a *current* token, which makes the query.": (
                    _matching(weights, turned=True)
                ),
                "The key is made of the embedding itself: what the *sender* made of it comes "
                "first.": _matching(weights, through=False),
                "The embedding is not normed before the heads read it.": _matching(
                    weights, first=False
                ),
                "The query's embedding is not normed before the head reads it.": _matching(
                    weights, query=False
                ),
                "The embedding is not normed before the *sender* reads it.": _matching(
                    weights, key=False
                ),
                "What the sender wrote is added to the embedding: the key is made of what it wrote "
                "alone.": _matching(weights, added=True),
                "The products are divided by a number: leave them as they are.": right / 2,
                "What the sender wrote is not normed again before layer 1 reads it.": _matching(
                    weights, second=False
                ),
                "Nothing is normed: every head reads the stream through its layer's norm.": (
                    _matching(weights, first=False, second=False)
                ),
                "The query goes through the sender too. It carries the current token, whose "
                "embedding is in the stream.": _matching(weights, both=True),
                "Query and key are swapped: the *key* is what the sender moved.": _matching(
                    weights, swapped=True
                ),
                "Queries and keys are those of layer 0. The sender is in layer 0, the reader in "
                "layer 1.": _matching(weights, layers=(0, 0)),
                "The layers are swapped: the sender is in layer 0, the reader in layer 1.": (
                    _matching(weights, layers=(1, 0))
                ),
                "The sender is taken from layer 1: it is in layer 0.": _matching(
                    weights, layers=(1, 1)
                ),
            },
        )
        match(
            got[1],
            _copying(weights),
            what=f"Copying in a model of {n_heads} heads, [reader],",
            mistakes={
                "Copying is scored for layer 0. The readers are in layer 1.": _copying(
                    weights, layer=0
                ),
                "The copying table is transposed: a row is the token that is attended to.": (
                    _copying(weights, turned=True)
                ),
                "The embedding is not normed before the head reads it.": _copying(
                    weights, first=False
                ),
                "Logits come from `model.W_U`, not from the embedding.": _copying(
                    weights, tied=True
                ),
                "The head is missing from the copying table: embedding, W_V, W_O, unembedding.": (
                    _copying(weights, through=False)
                ),
                "What the head wrote is normed before the unembedding: leave the final norm out.": (
                    _copying(weights, last=True)
                ),
            },
        )
    return "Every pair of heads, from the weights alone."


def _uneven(table) -> float:
    """A score to which each entry of a table counts differently."""
    expect(
        isinstance(table, torch.Tensor) and table.ndim == 2 and table.shape[0] == table.shape[1],
        "Give `score` one table at a time, [token, token], over the whole vocabulary.",
    )
    place = torch.arange(table.numel(), dtype=torch.float64).view(table.shape)
    return float((table.detach().double() * (1 + place).cos()).sum())


def _normed(x: torch.Tensor) -> torch.Tensor:
    x = x - x.mean(-1, keepdim=True)
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def _matching(
    w, *, turned=False, through=True, first=True, second=True, both=False, swapped=False,
    layers=(0, 1), query=True, key=True, added=False,
) -> torch.Tensor:  # fmt: skip
    """Matching, or what a mistake makes of it."""
    x = _normed(w["W_E"]) if first and query else w["W_E"]
    sent = _normed(w["W_E"]) if first and key else w["W_E"]
    n_heads, (early, late) = w["W_Q"].shape[1], layers
    found = torch.zeros(n_heads, n_heads)
    for sender, reader in itertools.product(range(n_heads), repeat=2):
        moved = sent @ (w["W_V"][early, sender] @ w["W_O"][early, sender]) if through else sent
        moved = moved + x if added else moved
        moved = _normed(moved) if second else moved
        asks, answers = (moved, x) if swapped else (moved if both else x, moved)
        table = (asks @ w["W_Q"][late, reader]) @ (answers @ w["W_K"][late, reader]).T
        found[sender, reader] = _uneven(table.T if turned else table)
    return found


def _copying(
    w, *, layer=1, turned=False, first=True, through=True, last=False, tied=False
) -> torch.Tensor:
    x = _normed(w["W_E"]) if first else w["W_E"]
    found = []
    for head in range(w["W_Q"].shape[1]):
        written = x @ (w["W_V"][layer, head] @ w["W_O"][layer, head]) if through else x
        table = (_normed(written) if last else written) @ (w["W_E"].T if tied else w["W_U"])
        found.append(_uneven(table.T if turned else table))
    return torch.tensor(found)


# ---- Paths --------------------------------------------------------------------------------------


def _grouped_model(seed: int, **config) -> TransformerBridge:
    """Three layers of four heads, two key-value heads, rotation, and an RMSNorm with weights."""
    settings = {
        "n_layers": 3,
        "n_heads": 4,
        "n_key_value_heads": 2,
        "d_vocab": 9,
        "normalization_type": "RMS",
        "positional_embedding_type": "rotary",
    }
    return _small_model(seed, **(settings | config))


@torch.no_grad()
def _cached(model, tokens) -> dict[str, torch.Tensor]:
    return dict(model.run_with_cache(tokens)[1].items())


@exercise("utils.circuits.composition.path_hooks")
def check_path_hooks(path_hooks) -> str:
    """Logits under the hooks, against keys, queries and values that are made by hand."""
    model = _grouped_model(3)
    for into, layers, batch in (("k", [1, 2], 2), ("q", [2], 1), ("v", [2, 1], 2), ("k", [0], 3)):
        _examine_path_hooks(path_hooks, model, into=into, layers=layers, batch=batch)
    return "One input of the chosen layers, and nothing else."


def _examine_path_hooks(path_hooks, model, *, into: str, layers: list[int], batch: int) -> None:
    tokens = _random_tokens(model, batch, 7, seed=batch)
    random = torch.Generator().manual_seed(batch + 10)
    change = torch.randn(batch, 7, model.cfg.d_model, generator=random)
    cache = _cached(model, tokens)
    streams = [cache[f"blocks.{layer}.hook_resid_pre"] for layer in range(3)]

    def under(hooks):
        with torch.no_grad(), model.hooks(fwd_hooks=hooks):
            return model(tokens)

    def by_hand(normed, where=tuple(layers), inputs=into):
        """Logits where `normed` of a layer makes the inputs of each layer in `where`."""
        made = {
            f"blocks.{layer}.attn.hook_{letter}": _projected(
                model, normed(layer), layer=layer, letter=letter
            )
            for layer in where
            for letter in inputs
        }
        return under([(name, _giving(value)) for name, value in made.items()])

    def right(layer):
        return _rms(model, streams[layer] + change, layer)

    def live():
        """Each layer's stream is that of the changed run."""
        seen = {}

        def keep(stream, hook):
            seen[hook.layer()] = stream + change

        def give(own, hook):
            layer = hook.layer()
            return _projected(model, _rms(model, seen[layer], layer), layer=layer, letter=into)

        hooks = [(f"blocks.{layer}.hook_resid_pre", keep) for layer in layers]
        return under([*hooks, *((f"blocks.{i}.attn.hook_{into}", give) for i in layers)])

    def by_parts(layer):
        return _rms(model, streams[layer], layer) + _rms(model, change, layer)

    def norm_of_first(layer):
        return _rms(model, streams[layer] + change, 0)

    def in_place():
        def add(own, hook):
            own[:] = right(hook.layer())

        return under([(f"blocks.{i}.attn.{into}.hook_in", add) for i in layers])

    def onto(make):
        return under(
            [
                (f"blocks.{i}.attn.{into}.hook_in", lambda own, hook: own + make(hook.layer()))
                for i in layers
            ]
        )

    whole = under([(f"blocks.{i}.hook_resid_pre", _adding(change)) for i in layers])
    after = under([(f"blocks.{i}.attn.{into}.hook_in", _adding(change)) for i in layers])
    mistakes = {
        "Nothing changes under your hooks: does each function `return` the new input, and is "
        "each hook's name right?": under([]),
        "The whole layer reads the changed stream, and passes it on: only one input may.": (whole),
        "Your hook gives `activation + change`. But what reaches this hook has been through the "
        "norm. Add the change to the stream before it, from a run without hooks, and norm that: "
        "`model.blocks[layer].ln1(stream + change)`.": after,
        "`ln1(stream) + ln1(change)` is not `ln1(stream + change)`: norm the sum.": by_hand(
            by_parts
        ),
        "Your hook adds the normed change. Norm the *sum* of stream and change.": (
            onto(lambda i: _rms(model, change, i))
        ),
        "Your hook adds to its activation, which comes from the changed run. Give the new input "
        "itself, from a run without hooks.": onto(lambda i: right(i) - _rms(model, streams[i], i)),
        "Your hook writes into its activation. Queries, keys and values share that tensor, so all "
        "three change: return a new tensor.": in_place(),
        "Every layer uses layer 0's norm: each has its own, `model.blocks[layer].ln1`.": by_hand(
            norm_of_first
        ),
        "The change is left out at the first position: add it everywhere.": by_hand(
            lambda i: _rms(
                model, torch.cat([streams[i][:, :1], (streams[i] + change)[:, 1:]], 1), i
            )
        ),
        "The change is added after the norm. It belongs to the stream, before the norm.": (
            by_hand(lambda i: _rms(model, streams[i], i) + change)
        ),
        "The layer's norm is missing: heads read the stream through it.": by_hand(
            lambda i: streams[i] + change
        ),
        "The norm's weights are missing: `model.blocks[layer].ln1` is the whole norm.": by_hand(
            lambda i: _rms(model, streams[i] + change, i, weight=False)
        ),
        "The change is subtracted: add it.": by_hand(lambda i: _rms(model, streams[i] - change, i)),
        "The input is made of the change alone: add it to the stream.": by_hand(
            lambda i: _rms(model, change, i)
        ),
        "That is the stream before the *next* layer: take `hook_resid_pre` of the reading "
        "layer.": by_hand(lambda i: _rms(model, _after(cache, i) + change, i)),
        "Queries, keys and values all read the changed stream: only `into` may.": by_hand(
            right, inputs="qkv"
        ),
        "Every layer gets the *last* layer's input: did the hook look up its layer in a loop's "
        "variable, which has moved on?": by_hand(lambda i: right(layers[-1])),
        "Every layer gets the first layer's input: each has a stream of its own.": by_hand(
            lambda i: right(layers[0])
        ),
        "Only one of the layers is changed: give a hook for each.": by_hand(
            right, where=layers[:1]
        ),
        "Only one of the layers changes: give a hook for each.": by_hand(right, where=layers[-1:]),
        "A later layer reads the stream that the earlier one's hook has changed. Take every "
        "stream from a run without hooks.": live(),
    }
    for letter in {"q", "k", "v"} - {into}:
        mistakes[f"With `into={into!r}` it is {letter!r} that changes: use the argument."] = (
            by_hand(right, inputs=letter)
        )
    hooks = path_hooks(model, tokens, change, layers=layers, into=into)
    expect(
        isinstance(hooks, (list, tuple))
        and all(
            isinstance(each, (tuple, list))
            and len(each) == 2
            and isinstance(each[0], str)
            and callable(each[1])
            for each in hooks
        ),
        "Return a list of pairs: a hook's name and its function.",
    )
    expect(bool(hooks), f"With into={into!r} the list of hooks is empty.")
    for name, _ in hooks:
        expect(
            not name.endswith((f"attn.{into}.hook_out", f"hook_{into}_input")),
            f"`{name}` is not the input of `W_{into.upper()}`: that is "
            f"`blocks.L.attn.{into}.hook_in`.",
        )
    try:
        got = under(list(hooks))
    except Exception as error:
        why = (str(error).splitlines() or ["no message"])[0].rstrip(".")
        raise Wrong(
            f"The model does not run under your hooks: {why}. Look at their names, and at the "
            "shape of what they return."
        ) from error
    match(got, by_hand(right), what=f"With into={into!r}, logits", mistakes=mistakes)
    still = path_hooks(model, tokens, torch.zeros_like(change), layers=layers, into=into)
    expect(
        torch.allclose(under(list(still)), under([]), atol=1e-5),
        "With a change of zeros the logits should stay as they are, and they do not.",
    )


def _rms(model, stream: torch.Tensor, layer: int, *, weight: bool = True) -> torch.Tensor:
    scale = (stream.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
    return stream / scale * (model.blocks[layer].ln1.weight.detach() if weight else 1)


def _projected(model, normed: torch.Tensor, *, layer: int, letter: str) -> torch.Tensor:
    """Queries, keys or values before the rotation, [batch, pos, head, d_head]."""
    weights = getattr(model, f"W_{letter.upper()}")[layer].detach()
    return torch.einsum("bpd,hde->bphe", normed, weights)


def _after(cache, layer: int) -> torch.Tensor:
    return cache[f"blocks.{layer}.hook_resid_post"]


def _giving(value: torch.Tensor):
    return lambda own, hook: value


def _adding(change: torch.Tensor):
    return lambda own, hook: own + change


@investigation("rivals_left", course={"b", "e"})
def check_rivals_left(answer) -> str:
    """Letters, in any container or in one string."""
    expect(not isinstance(answer, dict), 'Give letters alone, such as {"a", "c"}.')
    letters = {each for each in answer if not (isinstance(each, str) and each in ", ")}
    expect(
        bool(letters) and all(isinstance(each, str) for each in letters),
        'Give the letters of the objections that are left, such as {"a", "c"}.',
    )
    letters = {each.strip().lower() for each in letters}
    expect(letters <= set("abcde"), 'Give single letters from a to e, such as {"a", "c"}.')
    ruled_out = {
        "a": "Objection a says that *any* head of layer 16 would do it. Eight others were tried.",
        "c": "Objection c says that even a change of next to nothing breaks the keys. Some heads "
        "of the table are just that.",
        "d": "Objection d is about ways through other layers. Your hooks add the change to the "
        "stream that the keys read, and leave all between as it was.",
    }
    left = {
        "b": "An objection is missing. Compare L16H0's last column with that of the other heads.",
        "e": "An objection is missing. On what kind of text was all this measured?",
    }
    too_many = [why for letter, why in ruled_out.items() if letter in letters]
    expect(not too_many, " ".join(too_many))
    missing = [why for letter, why in left.items() if letter not in letters]
    expect(not missing, " ".join(missing))
    return "Two are left: one to be settled now, and one to be remembered."


@exercise("utils.circuits.composition.size_matched")
def check_size_matched(size_matched) -> str:
    """Lengths that differ from place to place, and many draws for the directions."""

    def seeded(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    change = torch.randn(2, 5, 8, generator=seeded(1))
    change = change * torch.tensor([0.1, 1.0, 3.0, 7.0, 20.0])[:, None] + 0.2
    got = size_matched(change, generator=seeded(0))
    expect(isinstance(got, torch.Tensor), "Return a tensor, [batch, pos, d_model].")
    expect(
        got.shape == change.shape,
        f"The shape should be that of `change`, {tuple(change.shape)}, and is {tuple(got.shape)}.",
    )
    wanted, lengths = change.norm(dim=-1), got.norm(dim=-1)
    match(
        lengths,
        wanted,
        what="The length at each position",
        mistakes={
            "The lengths are squared.": wanted**2,
            "Every vector has length 1: make it as long as `change` is there.": torch.ones(2, 5),
            "All vectors have the mean length. Each should be as long as `change` is *there*.": (
                wanted.mean().expand(2, 5)
            ),
        }
        | (
            {
                "Only the length of everything together fits: norm over the last axis, at each "
                "position.": lengths
            }
            if torch.allclose(got.norm(), change.norm(), rtol=1e-3)
            else {
                "Divide by each random vector's own length, which is only about the root of "
                "d_model.": lengths
            }
            if bool(((lengths / wanted - 1).abs() < 0.9).all())
            else {}
        ),
    )
    cosine = (got * change).sum(-1) / wanted**2
    expect(
        bool((cosine.abs() < 0.999).all()),
        "Your vectors lie along `change` itself: draw the directions at random.",
    )
    expect(
        torch.equal(got, size_matched(change, generator=seeded(0))),
        "The same seed gives different vectors: hand `generator=generator` to the random function.",
    )
    expect(
        not torch.equal(got, size_matched(change, generator=seeded(5))),
        "Two seeds give the same vectors: use the `generator` that is given.",
    )
    random = seeded(2)
    ramp = torch.linspace(-1, 2, 8).expand(60, 40, 8)
    many, again = (size_matched(ramp, generator=random) for _ in range(2))
    expect(
        not torch.equal(many, again),
        "A second call with the same generator gives the same vectors. Draw from the `generator` "
        "itself, not from a copy of it.",
    )
    directions = many / many.norm(dim=-1, keepdim=True)
    expect(
        float((directions[:, 0] * directions[:, 1]).sum(-1).abs().mean()) < 0.9,
        "All positions of a row have the same direction: draw one for each position.",
    )
    expect(
        float((directions[0] * directions[1]).sum(-1).abs().mean()) < 0.9,
        "All rows have the same directions: draw for each row and position.",
    )
    expect(
        float(directions.mean((0, 1)).norm()) < 0.15,
        "The mean of your directions is not 0: numbers that are never negative, as from "
        "`torch.rand`, or a part of `change`, do that. Draw with `torch.randn`.",
    )
    expect(
        float(directions.abs().amax(-1).mean()) < 0.9,
        "Your directions lie along single coordinates: all directions should be equally likely.",
    )
    spread = torch.einsum("bpd,bpe->de", directions, directions) / (60 * 40)
    fourth = float((directions**4).sum(-1).mean())
    expect(
        float((spread - torch.eye(8) / 8).norm()) < 0.05 and abs(fourth - 3 / (8 + 2)) < 0.02,
        "Some directions are more likely than others: draw every coordinate with `torch.randn`.",
    )
    return "As long as the change at every position, in directions that mean nothing."


# ---- Copying ------------------------------------------------------------------------------------


def _examine_direct_copying(
    direct_copying, model, *, batch: int, half: int, layers: list[int]
) -> None:
    tokens = _random_tokens(model, batch, 1 + 2 * half, seed=batch + half)
    cache = _cached(model, tokens)
    scale, W_U = cache["ln_final.hook_scale"], model.W_U.detach()
    weight = model.ln_final.weight.detach()

    def raised(layer, *, scaled=True, weighted=True, baseline=True, late=0):
        """Logits that each head writes at each position, [batch, pos, head, d_vocab]."""
        z = cache[f"blocks.{layer}.attn.hook_z"]
        written = torch.stack(
            [z[:, :, head] @ model.W_O[layer, head].detach() for head in range(4)], dim=2
        )
        written = written / scale.roll(-late, 1)[:, :, None] if scaled else written
        logits = (written * weight if weighted else written) @ W_U
        return logits - logits.mean(-1, keepdim=True) if baseline else logits

    def picked(start=half + 1, stop=2 * half, shift=1, **how):
        """[batch, pos, layer, head]: the logit of the token `shift` places on."""
        each = [raised(layer, **how) for layer in layers]
        return torch.stack(
            [
                torch.stack(
                    [
                        torch.stack([e[row, at, :, token] for e in each])
                        for at in range(start, stop)
                        for token in [tokens[row, at + shift]]
                    ]
                )
                for row in range(len(tokens))
            ]
        )

    each = picked()
    right = each.mean(1)
    n_pos = tokens.shape[1]
    shifted = {
        f"Off by one: with halves of {half} tokens you take what is written at positions {start} "
        f"to {stop - 1} for the tokens at {start + shift} to {stop - 1 + shift}. It should be "
        f"positions {half + 1} to {2 * half - 1}, for the tokens at {half + 2} to {2 * half}.": (
            picked(start=start, stop=stop, shift=shift).mean(1)
        )
        for shift in (-1, 0, 1, 2)
        for start in range(half - 1, half + 4)
        for stop in range(start + 1, n_pos + 1)
        if stop - 1 + shift < n_pos and stop >= 2 * half - 2
    }
    match(
        direct_copying(model, tokens, layers),
        right,
        what=f"The effects in {batch} text{'s' * (batch > 1)} of layers {layers}",
        mistakes={
            "Off by one: what is written at a position raises the logit of the *next* token.": (
                picked(shift=0).mean(1)
            ),
            "Off by one: all positions of the second half, each on its own token.": picked(
                stop=2 * half + 1, shift=0
            ).mean(1),
            "The first half is counted too: only the second half can repeat.": picked(start=0).mean(
                1
            ),
            "The first half is counted as well: only the second half can repeat.": picked(
                start=1
            ).mean(1),
            "One position too early: the last token of the first half is not in the repeat.": (
                picked(start=half).mean(1)
            ),
            "The first position of the second half is left out: what it writes is for the "
            "second token, and counts.": picked(start=half + 2).mean(1),
            "The scale is that of the next position: slice it as you slice `hook_z`.": picked(
                late=1
            ).mean(1),
            "The mean over the vocabulary is not taken off: a head may raise all logits.": (
                picked(baseline=False).mean(1)
            ),
            "The final norm's scale is missing: divide by `ln_final.hook_scale`.": picked(
                scaled=False
            ).mean(1),
            "The final norm's weight is missing: multiply by `model.ln_final.weight`.": picked(
                weighted=False
            ).mean(1),
            "The final norm is missing altogether: its scale, and its weight.": picked(
                scaled=False, weighted=False
            ).mean(1),
            "That is a sum over positions: take the mean.": each.sum(1),
            "One number for each position: take the mean over positions.": each,
            "The batch is gone: keep a row for each text, so that rows can be paired.": (
                right.mean(0)
            ),
            "The axes are in another order: [batch, layer, head].": right.transpose(0, 1),
            "The heads are summed: keep them apart.": right.sum(-1),
        }
        | shifted,
    )


# ---- The unknown circuit ------------------------------------------------------------------------


@investigation("unknown_circuit", course=[(0, 3), (1, 1), (1, 2), (1, 3)])
def check_unknown_circuit(answer) -> str:
    """Heads in any order; what is missing or too much is told by kind, not by name."""
    expect(
        isinstance(answer, (list, tuple, set, frozenset)) and bool(answer),
        "Give a list of heads, each a pair of layer and number, such as [(0, 0), (1, 0)].",
    )
    heads = set()
    for each in answer:
        expect(
            isinstance(each, (list, tuple))
            and len(each) == 2
            and all(type(number) is int for number in each)
            and each[0] in (0, 1)
            and each[1] in range(4),
            "Each head is a pair: its layer, 0 or 1, and its number, 0 to 3.",
        )
        heads.add(tuple(each))
    first = {head for head in heads if head[0] == 0}
    second = heads - first
    expect(bool(first), "The previous-token head is missing: it is in layer 0.")
    expect(
        (0, 3) in first,
        "The previous-token head is another one. Without it the repeat costs as much as the first "
        "half.",
    )
    expect(first == {(0, 3)}, "Layer 0 has one head of this circuit: which costs nothing alone?")
    expect(bool(second), "The induction heads are missing: they are in layer 1.")
    right = {(1, 1), (1, 2), (1, 3)}
    if second < right:
        raise Wrong(
            "An induction head is missing. Where several do the same, one more costs little when "
            "it goes alone. Which heads of layer 1 can carry the repeat when they are *left* alone?"
        )
    expect(
        second == right,
        "One of your heads of layer 1 is no induction head: a cost of its own does not make it "
        "one. Does it lower the loss on the repeat when it is the only head left in layer 1?",
    )
    return "One head that says which token came before, and three that read it."


@exercise("utils.circuits.composition.direct_copying")
def check_direct_copying(direct_copying) -> str:
    """Random weights; each head's effect on a logit worked out one by one."""
    model = _grouped_model(4, d_vocab=11)
    for batch, half, layers in ((2, 4, [2, 0]), (1, 3, [1]), (3, 4, [0, 1, 2])):
        _examine_direct_copying(direct_copying, model, batch=batch, half=half, layers=layers)
    return "What each head itself does for the next token."
