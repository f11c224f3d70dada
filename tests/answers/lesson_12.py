"""Lesson 1.2: the library's version of each exercise, and plausible wrong answers."""

from functools import partial

import numpy as np
import torch

from utils.circuits.composition import path_hooks, size_matched

_norm = torch.nn.functional.layer_norm


def _normed(x):
    return _norm(x, x.shape[-1:])


def _weights(model):
    return {
        name: getattr(model, name).detach() for name in ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_U")
    }


def _tables(
    *, norm=_normed, second=None, early=0, late=1, turned=False, through=True, swapped=False,
    query=None, copy=None, axes=False, sent=None, added=False, scale=1,
):  # fmt: skip
    def circuit_tables(model, score):
        w, n = _weights(model), model.cfg.n_heads
        x = norm(w["W_E"])
        match, copies = torch.zeros(n, n), torch.zeros(n)
        for i in range(n):
            for j in range(n):
                y = sent(w["W_E"]) if sent else x
                moved = y @ w["W_V"][early, i] @ w["W_O"][early, i] if through else y
                moved = x + moved if added else moved
                keys = (second or _normed)(moved)
                asks = query(moved) if query else x
                asks = w["W_E"] if asks is None else asks
                asks, keys = (keys, x) if swapped else (asks, keys)
                table = scale * (asks @ w["W_Q"][late, j]) @ (keys @ w["W_K"][late, j]).T
                match[i, j] = score(table.T if turned else table)
        for j in range(n):
            table = x @ w["W_V"][1, j] @ w["W_O"][1, j] @ w["W_U"]
            copies[j] = score(copy(w, x, j) if copy else table)
        return (match.T if axes else match), copies

    return circuit_tables


def _raw(x):
    return x


def _tables_by_einsum(model, score):
    w = {name: value.double() for name, value in _weights(model).items()}
    x = _normed(w["W_E"])
    moved = torch.einsum("td,sde,sef->stf", x, w["W_V"][0], w["W_O"][0])
    keys = torch.einsum("stf,rfe->srte", _normed(moved), w["W_K"][1])
    queries = torch.einsum("td,rde->rte", x, w["W_Q"][1])
    tables = torch.einsum("rqe,srke->srqk", queries, keys)
    copies = torch.einsum("td,rde,ref,fu->rtu", x, w["W_V"][1], w["W_O"][1], w["W_U"])
    matching = torch.tensor([[score(table) for table in row] for row in tables])
    return matching, torch.tensor([score(table) for table in copies])


def _tables_by_products(model, score):
    """The products of weights first."""
    heads = range(model.cfg.n_heads)
    x = model.W_E - model.W_E.mean(-1, keepdim=True)
    x = x / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()

    def keyed(i):
        y = x @ (model.W_V[0, i] @ model.W_O[0, i])
        y = y - y.mean(-1, keepdim=True)
        return y / (y.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()

    rows = []
    for i in heads:
        moved = keyed(i)
        rows.append([score(x @ (model.W_Q[1, j] @ model.W_K[1, j].T) @ moved.T) for j in heads])
    return torch.tensor(rows), torch.stack(
        [torch.tensor(score(x @ (model.W_V[1, j] @ model.W_O[1, j]) @ model.W_U)) for j in heads]
    )


def _no_head(w, x, j):
    return x @ w["W_U"]


def _copies_by_embedding(w, x, j):
    return x @ w["W_V"][1, j] @ w["W_O"][1, j] @ w["W_E"].T


def _copies_of_layer_0(w, x, j):
    return x @ w["W_V"][0, j] @ w["W_O"][0, j] @ w["W_U"]


def _copies_turned(w, x, j):
    return (x @ w["W_V"][1, j] @ w["W_O"][1, j] @ w["W_U"]).T


# ---- Paths --------------------------------------------------------------------------------------


def _streams(model, tokens, layers):
    names = [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=names)
    return {layer: cache[name] for layer, name in zip(layers, names, strict=True)}


def _path(make, name="blocks.{layer}.attn.{into}.hook_in"):
    """Hooks that return `make(model, layer, stream, change)`."""

    def path_hooks(model, tokens, change, *, layers, into="k"):
        with torch.no_grad():
            made = {
                layer: make(model, layer, stream, change)
                for layer, stream in _streams(model, tokens, layers).items()
            }
        return [
            (name.format(layer=layer, into=into), lambda own, hook: made[hook.layer()])
            for layer in layers
        ]

    return path_hooks


def _late_binding(model, tokens, change, *, layers, into="k"):
    hooks, streams = [], _streams(model, tokens, layers)
    for layer in layers:
        with torch.no_grad():
            new = model.blocks[layer].ln1(streams[layer] + change)
        hooks.append((f"blocks.{layer}.attn.{into}.hook_in", lambda own, hook: new))  # noqa: B023
    return hooks


def _no_return(model, tokens, change, *, layers, into="k"):
    def replace(own, hook):
        own + change

    return [(f"blocks.{layer}.attn.{into}.hook_in", replace) for layer in layers]


def _whole(model, tokens, change, *, layers, into="k"):
    return [(f"blocks.{layer}.hook_resid_pre", lambda own, hook: own + change) for layer in layers]


def _onto_activation(model, tokens, change, *, layers, into="k"):
    return [
        (f"blocks.{layer}.attn.{into}.hook_in", lambda own, hook: own + change) for layer in layers
    ]


def _only(which):
    def hooks(model, tokens, change, *, layers, into="k"):
        return path_hooks(model, tokens, change, layers=[layers[which]], into=into)

    return hooks


def _always_keys(model, tokens, change, *, layers, into="k"):
    return path_hooks(model, tokens, change, layers=layers)


def _all_three(model, tokens, change, *, layers, into="k"):
    return sum(
        (path_hooks(model, tokens, change, layers=layers, into=letter) for letter in "qkv"), []
    )


def _live(model, tokens, change, *, layers, into="k"):
    seen = {}

    def keep(stream, hook):
        seen[hook.layer()] = stream

    def replace(own, hook):
        return model.blocks[hook.layer()].ln1(seen[hook.layer()] + change)

    return [
        *((f"blocks.{layer}.hook_resid_pre", keep) for layer in layers),
        *((f"blocks.{layer}.attn.{into}.hook_in", replace) for layer in layers),
    ]


def _onto_normed(model, tokens, change, *, layers, into="k"):
    def replace(own, hook):
        return own + model.blocks[hook.layer()].ln1(change)

    return [(f"blocks.{layer}.attn.{into}.hook_in", replace) for layer in layers]


def _into_activation(model, tokens, change, *, layers, into="k"):
    streams = _streams(model, tokens, layers)

    def replace(own, hook):
        own[:] = model.blocks[hook.layer()].ln1(streams[hook.layer()] + change)

    return [(f"blocks.{layer}.attn.{into}.hook_in", replace) for layer in layers]


def _difference_onto_activation(model, tokens, change, *, layers, into="k"):
    streams = _streams(model, tokens, layers)

    def replace(own, hook):
        norm, stream = model.blocks[hook.layer()].ln1, streams[hook.layer()]
        return own + norm(stream + change) - norm(stream)

    return [(f"blocks.{layer}.attn.{into}.hook_in", replace) for layer in layers]


def _but_bos(model, layer, stream, change):
    return model.blocks[layer].ln1(torch.cat([stream[:, :1], (stream + change)[:, 1:]], dim=1))


def _changed_in_place(model, tokens, change, *, layers, into="k"):
    hooks = []
    for layer, stream in _streams(model, tokens, layers).items():
        with torch.no_grad():
            new = model.blocks[layer].ln1(change.add_(stream))
        hooks.append((f"blocks.{layer}.attn.{into}.hook_in", lambda own, hook, new=new: new))
    return hooks


def _runs(model, tokens, change, *, layers, into="k"):
    hooks = path_hooks(model, tokens, change, layers=layers, into=into)
    return model.run_with_hooks(tokens, fwd_hooks=hooks)


def _path_by_partial(model, tokens, change, *, layers, into="k"):
    def replace(own, hook, new):
        return new

    with torch.no_grad():
        return [
            (
                f"blocks.{i}.attn.{into}.hook_in",
                partial(replace, new=model.blocks[i].ln1(x + change)),
            )
            for i, x in _streams(model, tokens, layers).items()
        ]


def _path_by_projection(model, tokens, change, *, layers, into="k"):
    """Keys, queries or values themselves, head by head."""
    weights, hooks = {"q": model.W_Q, "k": model.W_K, "v": model.W_V}[into], ()
    for layer in sorted(layers):
        stream = _streams(model, tokens, [layer])[layer]
        with torch.no_grad():
            x = model.blocks[layer].ln1(stream + change)
            new = torch.stack([x @ w for w in weights[layer]], dim=2)
        hooks += ((f"blocks.{layer}.attn.hook_{into}", lambda own, hook, new=new: new),)
    return hooks


# ---- The control --------------------------------------------------------------------------------


def _sized(draw, size):
    def size_matched(change, *, generator):
        random = draw(change, generator)
        return random * size(change, random)

    return size_matched


def _randn(change, generator):
    return torch.randn(change.shape, generator=generator)


def _far(change):
    return change.norm(dim=-1, keepdim=True)


def _in_four(change, generator):
    plane = torch.eye(change.shape[-1])[:4]
    return torch.randn(*change.shape[:-1], 4, generator=generator) @ plane


def _signs(change, generator):
    return torch.randint(0, 2, change.shape, generator=generator) * 2.0 - 1


def _each(change, random):
    return change.norm(dim=-1, keepdim=True) / random.norm(dim=-1, keepdim=True)


def _sized_by_numpy(change, *, generator):
    random = torch.normal(torch.zeros_like(change), 1.0, generator=generator).numpy()
    random = random / np.sqrt((random**2).sum(-1, keepdims=True))
    return torch.from_numpy(random) * change.pow(2).sum(-1, keepdim=True).sqrt()


def _sized_by_loop(change, *, generator):
    out = torch.empty_like(change)
    for row in range(len(change)):
        for pos in range(change.shape[1]):
            vector = torch.randn(change.shape[2], generator=generator)
            out[row, pos] = vector / vector.norm() * change[row, pos].norm()
    return out


# ---- Copying ------------------------------------------------------------------------------------


def _direct(
    *, start=1, stop=-1, shift=1, scaled=True, weighted=True, baseline=True, end=lambda e: e.mean(1)
):
    def direct_copying(model, tokens, layers):
        half, n_pos = tokens.shape[1] // 2, tokens.shape[1]
        at = torch.arange(half + start, n_pos + stop)
        names = [*(f"blocks.{i}.attn.hook_z" for i in layers), "ln_final.hook_scale"]
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=names)
            W_U = model.W_U - model.W_U.mean(1, keepdim=True) if baseline else model.W_U
            if weighted:
                W_U = model.ln_final.weight[:, None] * W_U
            u = W_U.T[tokens[:, at + shift]]
            if scaled:
                u = u / cache["ln_final.hook_scale"][:, at]
            each = torch.stack(
                [
                    torch.einsum("bphe,hed,bpd->bph", cache[name][:, at], model.W_O[i], u)
                    for i, name in zip(layers, names, strict=False)
                ],
                dim=2,
            )
        return end(each)

    return direct_copying


def _scale_late(model, tokens, layers):
    start = 1 + tokens.shape[1] // 2
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        u = (model.W_U - model.W_U.mean(1, keepdim=True)).T[tokens[:, start + 1 :]]
        u = u * model.ln_final.weight / cache["ln_final.hook_scale"][:, start + 1 :]
        z = [cache["z", i][:, start:-1] for i in layers]
        return torch.stack(
            [
                torch.einsum("bphe,hed,bpd->bph", own, model.W_O[i], u).mean(1)
                for i, own in zip(layers, z, strict=True)
            ],
            dim=1,
        )


def _direct_by_loop(model, tokens, layers):
    """All logits that each head writes, position by position."""
    n = tokens.shape[1] // 2
    out = torch.zeros(len(tokens), len(layers), model.cfg.n_heads)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        W_U = model.ln_final.weight[:, None] * model.W_U
        for i, layer in enumerate(layers):
            for h in range(model.cfg.n_heads):
                written = cache["z", layer][:, :, h] @ model.W_O[layer, h]
                logits = written / cache["ln_final.hook_scale"] @ W_U
                logits = logits - logits.mean(-1, keepdim=True)
                for row in range(len(tokens)):
                    own = [logits[row, at, tokens[row, at + 1]] for at in range(n + 1, 2 * n)]
                    out[row, i, h] = sum(own) / len(own)
    return out


MISTAKES = {
    "circuit_tables": [
        ("axes", _tables(axes=True), "axes are swapped"),
        ("tables turned", _tables(turned=True), "current"),
        ("no sender", _tables(through=False), "*sender*"),
        ("embedding not normed", _tables(norm=_raw), "embedding is not normed"),
        ("moved not normed", _tables(second=_raw), "not normed again"),
        ("nothing normed", _tables(norm=_raw, second=_raw), "Nothing is normed"),
        ("query moved too", _tables(query=_normed), "query goes through"),
        ("query and key swapped", _tables(swapped=True), "Query and key are swapped"),
        ("layers swapped", _tables(early=1, late=0), "layers are swapped"),
        ("both of layer 0", _tables(late=0), "those of layer 0"),
        ("both of layer 1", _tables(early=1), "taken from layer 1"),
        ("copying of layer 0", _tables(copy=_copies_of_layer_0), "scored for layer 0"),
        ("copying turned", _tables(copy=_copies_turned), "copying table is transposed"),
        ("copying without a head", _tables(copy=_no_head), "head is missing"),
        ("query not normed", _tables(query=lambda moved: None), "query's embedding"),
        ("key not normed", _tables(norm=_normed, sent=_raw), "before the *sender*"),
        ("added to the embedding", _tables(added=True), "is added to the embedding"),
        ("divided", _tables(scale=0.5), "divided by a number"),
        ("copying with W_E", _tables(copy=_copies_by_embedding), "`model.W_U`"),
        ("matching alone", lambda m, s: _tables()(m, s)[0], "two tensors"),
        (
            "a list of lists",
            lambda m, s: tuple(part.tolist() for part in _tables()(m, s)),
            "should be a tensor",
        ),
    ],
    "path_hooks": [
        ("returns nothing", _no_return, "Nothing changes"),
        ("the whole layer", _whole, "whole layer"),
        ("late binding", _late_binding, "loop's variable"),
        ("activation + change", _onto_activation, "activation + change"),
        ("after the norm", _path(lambda m, i, x, c: m.blocks[i].ln1(x) + c), "after the norm"),
        (
            "two norms",
            _path(lambda m, i, x, c: m.blocks[i].ln1(x) + m.blocks[i].ln1(c)),
            "norm the sum",
        ),
        ("activation + normed change", _onto_normed, "Norm the *sum*"),
        ("into the activation", _into_activation, "share that tensor"),
        ("activation + difference", _difference_onto_activation, "itself, from a run"),
        ("layer 0's norm", _path(lambda m, i, x, c: m.blocks[0].ln1(x + c)), "layer 0's norm"),
        ("but BOS", _path(_but_bos), "first position"),
        (
            "after W_K",
            _path(lambda m, i, x, c: m.blocks[i].ln1(x + c), "blocks.{layer}.attn.{into}.hook_out"),
            "is not the input",
        ),
        ("no hooks", lambda *a, **k: [], "is empty"),
        ("no norm", _path(lambda m, i, x, c: x + c), "norm is missing"),
        ("subtracted", _path(lambda m, i, x, c: m.blocks[i].ln1(x - c)), "subtracted"),
        ("the change alone", _path(lambda m, i, x, c: m.blocks[i].ln1(c)), "change alone"),
        ("the first layer only", _only(0), "Only one of the layers"),
        ("the last layer only", _only(-1), "Only one of the layers"),
        ("always keys", _always_keys, "use the argument"),
        ("all three", _all_three, "only `into` may"),
        ("the changed run", _live, "run without hooks"),
        ("change in place", _changed_in_place, "changes its input `change`"),
        ("runs the model", _runs, "list of pairs"),
        (
            "a hook of another name",
            _path(
                lambda m, i, x, c: m.blocks[i].ln1(x + c), "blocks.{layer}.attn.hook_{into}_input"
            ),
            "is not the input",
        ),
    ],
    "rivals_left": [
        ("all of them", "abcde", "Eight others"),
        ("all of them, the last remark", "abcde", "leave all between"),
        ("none of the two", {"a"}, "Eight others"),
        ("any head", {"a", "b", "e"}, "Eight others"),
        ("the patch breaks", {"b", "c", "e"}, "next to nothing"),
        ("other layers", {"b", "d", "e"}, "leave all between"),
        ("size alone", {"b"}, "kind of text"),
        ("text alone", ["e"], "last column"),
        ("numbers", [2, 5], "Give the letters"),
        ("no letter", {"f"}, "single letters"),
        ("a dictionary", {"a": False, "b": True}, "letters alone"),
        ("words", ["b, e"], "single letters"),
    ],
    "size_matched": [
        ("unit length", _sized(_randn, lambda c, r: 1 / r.norm(dim=-1, keepdim=True)), "length 1"),
        ("not normed", _sized(_randn, lambda c, r: c.norm(dim=-1, keepdim=True)), "length"),
        ("all together", _sized(_randn, lambda c, r: c.norm() / r.norm()), "everything together"),
        (
            "mean length",
            _sized(_randn, lambda c, r: c.norm(dim=-1).mean() / r.norm(dim=-1, keepdim=True)),
            "mean length",
        ),
        ("rand", _sized(lambda c, g: torch.rand(c.shape, generator=g), _each), "never negative"),
        ("the change itself", lambda change, *, generator: -change, "along `change`"),
        (
            "one direction a row",
            _sized(lambda c, g: _randn(c[:, :1], g).expand_as(c), _each),
            "one for each position",
        ),
        (
            "the same in all rows",
            _sized(lambda c, g: _randn(c[:1], g).expand_as(c), _each),
            "each row and position",
        ),
        (
            "root of d_model",
            _sized(_randn, lambda c, r: _far(c) / c.shape[-1] ** 0.5),
            "own length",
        ),
        (
            "a copy of the generator",
            lambda change, *, generator: size_matched(
                change, generator=torch.Generator().manual_seed(generator.initial_seed())
            ),
            "A second call",
        ),
        ("four coordinates", _sized(_in_four, _each), "more likely"),
        ("random signs", _sized(_signs, _each), "more likely"),
        ("a cube", _sized(lambda c, g: torch.rand(c.shape, generator=g) * 2 - 1, _each), "likely"),
        ("cubed", _sized(lambda c, g: _randn(c, g) ** 3, _each), "more likely"),
        ("with the change", _sized(lambda c, g: c + _randn(c, g), _each), "`change`"),
        (
            "own generator",
            lambda change, *, generator: size_matched(
                change, generator=torch.Generator().manual_seed(0)
            ),
            "Two seeds",
        ),
    ],
    "direct_copying": [
        ("own token", _direct(shift=0), "Off by one"),
        ("all positions, own token", _direct(shift=0, stop=0), "Off by one"),
        ("from the last of the first half", _direct(start=0), "too early"),
        ("a position left out", _direct(start=2), "left out"),
        ("the last position left out", _direct(stop=-2), "Off by one"),
        ("two tokens on", _direct(start=0, stop=-2, shift=2), "Off by one"),
        ("the token before", _direct(shift=-1), "Off by one"),
        ("one early, own token", _direct(start=0, shift=0), "Off by one"),
        ("scale of the next position", _scale_late, "scale is that of"),
        ("no baseline", _direct(baseline=False), "mean over the vocabulary"),
        ("no scale", _direct(scaled=False), "scale is missing"),
        ("no weight", _direct(weighted=False), "weight is missing"),
        ("no norm", _direct(scaled=False, weighted=False), "missing altogether"),
        ("sum", _direct(end=lambda e: e.sum(1)), "sum over positions"),
        ("by position", _direct(end=lambda e: e), "mean over positions"),
        ("mean of the batch", _direct(end=lambda e: e.mean((0, 1))), "batch is gone"),
        ("heads summed", _direct(end=lambda e: e.mean(1).sum(-1)), "keep them apart"),
    ],
    "unknown_circuit": [
        ("another head of layer 0", [(0, 1), (1, 1), (1, 2), (1, 3)], "another one"),
        ("no head of layer 0", [(1, 1), (1, 2), (1, 3)], "previous-token head is missing"),
        ("no head of layer 1", [(0, 3)], "induction heads are missing"),
        ("one missing", [(0, 3), (1, 1), (1, 2)], "missing"),
        ("the strongest alone", [(0, 3), (1, 2)], "missing"),
        ("one too many", [(0, 3), (1, 0), (1, 1), (1, 2), (1, 3)], "only head left"),
        ("the costly ones", [(0, 3), (1, 0), (1, 1), (1, 2)], "only head left"),
        ("two of layer 0", [(0, 3), (0, 0), (1, 1), (1, 2), (1, 3)], "one head"),
        ("names", ["L0H3", "L1H1", "L1H2", "L1H3"], "pair"),
    ],
}

RIGHT = {
    "circuit_tables": [("einsum, in double", _tables_by_einsum), ("products", _tables_by_products)],
    "path_hooks": [("partial", _path_by_partial), ("keys themselves", _path_by_projection)],
    "rivals_left": [("a list", ["e", "b"]), ("one string", "b, e"), ("capitals", ("B", "E"))],
    "size_matched": [("numpy", _sized_by_numpy), ("a loop", _sized_by_loop)],
    "direct_copying": [("a loop over logits", _direct_by_loop), ("three factors", _direct())],
    "unknown_circuit": [
        ("tuples of a tuple", ((1, 3), (0, 3), (1, 2), (1, 1))),
        ("a set", {(0, 3), (1, 1), (1, 2), (1, 3)}),
        ("lists", [[0, 3], [1, 1], [1, 2], [1, 3]]),
    ],
}
