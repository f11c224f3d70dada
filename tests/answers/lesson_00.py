"""Lesson 00: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch
from torch.nn.functional import linear, log_softmax

from utils.circuits import residual

# --- Next tokens


def _next(logits_of=lambda model, prompt: model(model.to_tokens(prompt))[0, -1], shape=None):
    """next_tokens with other logits, or another shape of the result."""

    def next_tokens(model, prompt, k=5):
        top = logits_of(model, prompt).softmax(-1).topk(k)
        words = [model.tokenizer.decode([i]) for i in top.indices.tolist()]
        return (shape or (lambda w, p: list(zip(w, p, strict=True))))(words, top.values.tolist())

    return next_tokens


def _values(of):
    """next_tokens with other numbers beside the right words."""

    def next_tokens(model, prompt, k=5):
        logits = model(prompt)[0]
        best = logits[-1].topk(k).indices
        words = [model.tokenizer.decode([int(i)]) for i in best]
        return list(zip(words, of(logits, best).tolist(), strict=True))

    return next_tokens


def _ids(model, prompt, k=5):
    top = model(prompt)[0, -1].softmax(-1).topk(k)
    return list(zip(top.indices.tolist(), top.values.tolist(), strict=True))


def _five(model, prompt, k=5):
    return residual.next_tokens(model, prompt, 5)


def _least(model, prompt, k=5):
    top = model(prompt)[0, -1].softmax(-1).topk(k, largest=False)
    return [(model.tokenizer.decode([int(i)]), float(p)) for p, i in zip(*top, strict=True)]


def _by_sorting(model, prompt, k=5):
    probabilities = torch.exp(log_softmax(model(prompt)[:, -1], -1))[0].tolist()
    ids = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])[:k]
    return [[model.to_string([i]), probabilities[i]] for i in ids]


def _by_arange(model, prompt, k=5):
    with torch.no_grad():
        values, ids = model(prompt, return_type="logits")[0, -1].softmax(0).sort(descending=True)
    return list(zip(model.to_str_tokens(ids[:k]), values[:k], strict=True))


# --- Ablation


def _ablate(put, *, logits=lambda x: x, names=lambda name: [name]):
    def zero_ablated(model, tokens, name):
        hooks = [(each, lambda x, hook: put(x)) for each in names(name)]
        with torch.no_grad():
            return logits(model.run_with_hooks(tokens, fwd_hooks=hooks))

    return zero_ablated


def _zero_at(position):
    def put(x):
        x = x.clone()
        x[:, position] = 0
        return x

    return put


def _zero_row(x):
    x = x.clone()
    x[0] = 0
    return x


def _left_on(model, tokens, name):
    model.add_hook(name, lambda x, hook: torch.zeros_like(x))
    return model(tokens)


def _without_hooks(model, tokens, name):
    with model.hooks(fwd_hooks=[(name, lambda x, hook: x * 0.0)]), torch.no_grad():
        return model(tokens)


def _in_place(model, tokens, name):
    def zero(activation, hook):
        activation[:] = 0
        return activation

    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=[(name, zero)])


def _add_and_reset(model, tokens, name):
    model.add_hook(name, lambda x, hook: torch.zeros_like(x))
    try:
        return model(tokens)
    finally:
        model.reset_hooks()


# --- The sweep


def _sweep(
    score=lambda logits, answers: (
        logits[:, -1].log_softmax(-1).gather(-1, answers[:, None]).squeeze(-1)
    ),
    *,
    damage=lambda intact, ablated: intact - ablated,
    parts=("attn", "mlp"),
    layers=range,
    end=lambda x: x,
):
    def ablation_sweep(model, tokens, answers, ablate):
        out = torch.zeros(2, model.cfg.n_layers, len(tokens))
        with torch.no_grad():
            intact = score(model(tokens), answers)
            for kind, part in enumerate(parts):
                for layer in layers(model.cfg.n_layers):
                    logits = ablate(model, tokens, f"blocks.{layer}.hook_{part}_out")
                    out[kind, layer] = damage(intact, score(logits, answers))
        return end(out)

    return ablation_sweep


def _overwritten(model, tokens, answers, ablate):
    right = residual.ablation_sweep(model, tokens, answers, ablate)
    return right[:, -1:].expand_as(right)


def _sweep_by_lists(model, tokens, answers, ablate):
    def scores(logits):
        rows = zip(logits[:, -1].log_softmax(-1), answers, strict=True)
        return torch.tensor([float(row[i]) for row, i in rows])

    intact, out = scores(model(tokens)), []
    for part in ("attn", "mlp"):
        names = [f"blocks.{layer}.hook_{part}_out" for layer in range(model.cfg.n_layers)]
        out.append(torch.stack([intact - scores(ablate(model, tokens, name)) for name in names]))
    return torch.stack(out)


def _sweep_by_rows(model, tokens, answers, ablate):
    rows = torch.arange(len(tokens))
    intact = model(tokens)[rows, -1].log_softmax(dim=-1)[rows, answers]
    damage = torch.empty(2, model.cfg.n_layers, len(tokens))
    for layer in range(model.cfg.n_layers):
        for kind in (1, 0):
            name = f"blocks.{layer}.hook_{['attn', 'mlp'][kind]}_out"
            probabilities = ablate(model, tokens, name)[rows, -1].softmax(dim=-1)
            damage[kind, layer] = intact - probabilities[rows, answers].log()
    return damage


# --- The audit


def _excess(of):
    """largest_excess from another table of excesses."""

    def largest_excess(damage):
        return of(damage).max(0)

    return largest_excess


def _against(control):
    def excess(damage):
        columns = []
        for i in range(damage.shape[1]):
            others = damage[:, [j for j in range(damage.shape[1]) if j != i]]
            columns.append(damage[:, i] - control(others))
        return torch.stack(columns, 1)

    return excess


EXCESS = _against(lambda others: others.mean(1))


def _by_sums(damage):
    n = damage.shape[1]
    top = (damage - (damage.sum(1, keepdim=True) - damage) / (n - 1)).max(dim=0)
    return top.values, top.indices


def _by_einsum(damage):
    n = damage.shape[1]
    weights = torch.eye(n) * (n / (n - 1)) - 1 / (n - 1)
    excess = torch.einsum("cp,pq->cq", damage, weights)
    return [float(e) for e in excess.amax(0)], [int(i) for i in excess.argmax(0)]


def _by_numpy(damage):
    values = damage.numpy()
    columns = [values[:, i] - np.delete(values, i, axis=1).mean(1) for i in range(values.shape[1])]
    excess = torch.from_numpy(np.stack(columns, 1))
    return excess.max(0).values, excess.argmax(0)


# --- One patch


def _patch(put, *, hook="hook_resid_pre", run=0, off=0, end=lambda x: x):
    """put_back with another way to put, another hook, the runs swapped, or layers off by one."""

    def put_back(model, tokens, source, layer, position):
        name, both = f"blocks.{layer + off}.{hook}", (tokens, source)
        with torch.no_grad():
            _, cache = model.run_with_cache(both[1 - run])

            def change(x, hook):
                return put(x.clone(), cache[name], position)

            return end(model.run_with_hooks(both[run], fwd_hooks=[(name, change)]))

    return put_back


def _at(where):
    def put(x, source, position):
        x[:, where(position)] = source[:, where(position)]
        return x

    return put


def _added(x, source, position):
    x[:, position] += source[:, position]
    return x


def _first_text(x, source, position):
    x[0, position] = source[0, position]
    return x


HERE = _at(lambda position: position)


def _patch_with_context(model, tokens, source, layer, position):
    kept = {}

    def keep(resid, hook):
        kept["vector"] = resid[:, position].clone()

    def put(resid, hook):
        resid[:, position] = kept["vector"]
        return resid

    name = f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        model.run_with_hooks(source, fwd_hooks=[(name, keep)])
        with model.hooks(fwd_hooks=[(name, put)]):
            return model(tokens)


def _patch_with_where(model, tokens, source, layer, position):
    with torch.no_grad():
        _, cache = model.run_with_cache(source)
        clean = cache["resid_pre", layer]
        chosen = torch.nn.functional.one_hot(torch.tensor(position), tokens.shape[1]).bool()
        hook = (
            f"blocks.{layer}.hook_resid_pre",
            lambda resid, hook: torch.where(chosen[None, :, None], clean, resid),
        )
        return model.run_with_hooks(tokens, fwd_hooks=[hook])


# --- The lens


def _lens(*, kind="resid_post", norm=True, at=-1, end=lambda x: x):
    def logit_lens(model, tokens):
        _, cache = model.run_with_cache(tokens)
        names = [f"blocks.{layer}.hook_{kind}" for layer in range(model.cfg.n_layers)]
        stream = torch.stack([cache[name][:, at] for name in names])
        return end((model.ln_final(stream) if norm else stream) @ model.W_U)

    return logit_lens


def _lens_by_unembed(model, tokens):
    rows = []
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        for layer in range(model.cfg.n_layers):
            rows.append(model.unembed(model.ln_final(cache["resid_post", layer]))[:, -1])
    return torch.stack(rows)


def _lens_by_hooks(model, tokens):
    kept = []

    def look(resid, hook):
        kept.append(linear(model.ln_final(resid[:, -1]), model.W_U.T))

    layers = range(model.cfg.n_layers)
    with torch.no_grad():
        model.run_with_hooks(
            tokens, fwd_hooks=[(f"blocks.{i}.hook_resid_post", look) for i in layers]
        )
    return torch.stack(kept)


MISTAKES = {
    "next_tokens": [
        ("no BOS", _next(lambda m, p: m(m.to_tokens(p, prepend_bos=False))[0, -1]), "BOS is"),
        ("first position", _next(lambda m, p: m(p)[0, 0]), "first position"),
        ("mean over positions", _next(lambda m, p: m(p)[0].mean(0)), "averaged over the positions"),
        ("logits", _values(lambda logits, best: logits[-1][best]), "those are logits"),
        (
            "log-probabilities",
            _values(lambda logits, best: logits[-1].log_softmax(-1)[best]),
            "log-probabilities",
        ),
        (
            "softmax of the top",
            _values(lambda logits, best: logits[-1][best].softmax(-1)),
            "before the top k",
        ),
        (
            "softmax over positions",
            _values(lambda logits, best: logits.softmax(0)[-1][best]),
            "over the positions",
        ),
        ("least", _least, "*least*"),
        ("ids", _ids, "token's text"),
        ("always five", _five, "With k = 3"),
        ("two lists", _next(shape=lambda w, p: (w, p)), "pairs"),
        ("a dictionary", _next(shape=lambda w, p: dict(zip(w, p, strict=True))), "pairs"),
        ("words alone", _next(shape=lambda w, p: w), "pairs"),
        ("probability first", _next(shape=lambda w, p: list(zip(p, w, strict=True))), "text"),
        (
            "worst first",
            _next(shape=lambda w, p: list(zip(w, p, strict=True))[::-1]),
            "wrong order",
        ),
    ],
    "zero_ablated": [
        ("the hook returns nothing", _ablate(lambda x: None), "Nothing was ablated"),
        ("no hook", _ablate(torch.zeros_like, names=lambda name: []), "Nothing was ablated"),
        ("last position", _ablate(_zero_at(-1)), "Only the last position is ablated"),
        ("first position", _ablate(_zero_at(0)), "Only position 0"),
        ("first text", _ablate(_zero_row), "first text of the batch"),
        ("mean", _ablate(lambda x: x.mean((0, 1), keepdim=True).expand_as(x)), "mean ablation"),
        ("ones", _ablate(torch.ones_like), "ones in its place"),
        (
            "another layer",
            _ablate(torch.zeros_like, names=lambda n: ["blocks.0" + n[8:]]),
            "`name`",
        ),
        (
            "the attention",
            _ablate(torch.zeros_like, names=lambda n: [n.replace("mlp", "attn")]),
            "other component",
        ),
        (
            "both",
            _ablate(torch.zeros_like, names=lambda n: [n[:14] + "attn_out", n[:14] + "mlp_out"]),
            "whole block",
        ),
        (
            "logits at the end",
            _ablate(torch.zeros_like, logits=lambda x: x[:, -1]),
            "Only the last position's logits",
        ),
        (
            "log-probabilities",
            _ablate(torch.zeros_like, logits=lambda x: x.log_softmax(-1)),
            "log-probabilities",
        ),
        ("hook left on", _left_on, "changes its input `model`"),
    ],
    "ablation_sweep": [
        ("sign", _sweep(damage=lambda intact, ablated: ablated - intact), "The sign: damage"),
        ("absolute", _sweep(end=torch.abs), "sign of the damage is lost"),
        ("not compared", _sweep(damage=lambda intact, ablated: ablated), "Compare them with"),
        (
            "logits",
            _sweep(lambda x, a: x[:, -1].gather(-1, a[:, None])[:, 0]),
            "differences of logits",
        ),
        (
            "probabilities",
            _sweep(lambda x, a: x[:, -1].softmax(-1).gather(-1, a[:, None])[:, 0]),
            "differences of probabilities",
        ),
        (
            "first position",
            _sweep(lambda x, a: x[:, 0].log_softmax(-1).gather(-1, a[:, None])[:, 0]),
            "first position",
        ),
        ("MLPs first", _sweep(parts=("mlp", "attn")), "other way round"),
        ("attention twice", _sweep(parts=("attn", "attn")), "Both rows are those of attention"),
        ("last layer missing", _sweep(layers=lambda n: range(n - 1)), "last layer stays at 0"),
        ("layers from 1", _sweep(layers=lambda n: range(1, n)), "Layer 0 stays at 0"),
        ("one layer too many", _sweep(layers=lambda n: range(n + 1)), "You asked for"),
        ("the mean", _sweep(end=lambda x: x.mean(-1)), "averaged over the batch"),
        ("layer first", _sweep(end=lambda x: x.transpose(0, 1)), "[kind, layer, batch]"),
        ("flat", _sweep(end=lambda x: x.flatten(0, 1)), "keep kind and layer apart"),
        ("overwritten", _overwritten, "overwritten in the loop"),
        (
            "the first answer",
            _sweep(lambda x, a: x[:, -1].log_softmax(-1)[:, a[0]]),
            "scored on the first one's answer",
        ),
        ("another name", _sweep(parts=("attention", "mlp")), "You asked for"),
    ],
    "largest_excess": [
        (
            "itself included",
            _excess(lambda d: d - d.mean(1, keepdim=True)),
            "itself is in the mean",
        ),
        ("mean over components", _excess(lambda d: d - d.mean(0)), "mean over components"),
        ("no control", _excess(lambda d: d), "No control"),
        ("the others' largest", _excess(_against(lambda o: o.max(1).values)), "largest damage on"),
        ("the others' median", _excess(_against(lambda o: o.median(1).values)), "median"),
        ("the first prompt", _excess(lambda d: d - d[:, :1]), "with the first"),
        ("absolute", _excess(lambda d: EXCESS(d).abs()), "either sign"),
        ("sign", _excess(lambda d: -EXCESS(d)), "The sign"),
        ("over prompts", lambda d: EXCESS(d).max(1), "over the components"),
        ("one number", lambda d: (EXCESS(d).max(), EXCESS(d).argmax()), "one for each"),
        ("the smallest", lambda d: EXCESS(d).min(0), "smallest excess"),
        ("swapped", lambda d: (EXCESS(d).argmax(0), EXCESS(d).amax(0)), "other way round"),
        ("values alone", lambda d: EXCESS(d).amax(0), "two tensors"),
        (
            "worst component",
            lambda d: (EXCESS(d).amax(0), d.argmax(0)),
            "component of the largest damage",
        ),
    ],
    "put_back": [
        ("wrong way round", _patch(HERE, run=1), "wrong way round"),
        ("all positions", _patch(lambda x, s, p: s), "all positions"),
        ("the hook returns nothing", _patch(lambda x, s, p: None), "Nothing was put back"),
        ("added", _patch(_added), "*added*"),
        ("after the block", _patch(HERE, hook="hook_resid_post"), "*after* block"),
        ("the attention's output", _patch(HERE, hook="hook_attn_out"), "what the attention adds"),
        ("the MLP's output", _patch(HERE, hook="hook_mlp_out"), "what the MLP adds"),
        ("a layer too low", _patch(HERE, off=-1), "off by one"),
        ("up to the position", _patch(_at(lambda p: slice(0, p + 1))), "up to `position`"),
        ("from the position on", _patch(_at(lambda p: slice(p, None))), "from `position` on"),
        ("last position", _patch(_at(lambda p: -1)), "is put back, and not position 2"),
        ("first text", _patch(_first_text), "first text"),
        ("zero", _patch(lambda x, s, p: _zero_at(p)(x)), "set to zero"),
        ("logits at the end", _patch(HERE, end=lambda x: x[:, -1]), "last position's logits"),
        ("its own vector", lambda m, t, s, layer, p: m(t), "come from the run on `source`"),
    ],
    "handover": [
        ("the last piece of the name", (4, 23, 24), "Tower"),
        ("the first piece", (2, 23, 24), "Try the others"),
        ("the last position", (10, 23, 24), "third number"),
        ("before-and-after", (3, 22, 23), "one too low"),
        ("the first that fails", (3, 24, 25), "one too high"),
        ("not the last", (3, 15, 24), "not the last layer"),
        ("too late", (3, 26, 24), "repairs nothing"),
        ("too early", (3, 23, 20), "repairs nothing yet"),
        ("not the first", (3, 23, 27), "not the first layer"),
        ("a token", (" iffel", 23, 24), "whole numbers"),
        ("two numbers", (3, 23), "three numbers"),
    ],
    "logit_lens": [
        ("no norm", _lens(norm=False), "final norm is missing"),
        ("before the block", _lens(kind="resid_pre"), "*before* each block"),
        ("the MLPs alone", _lens(kind="mlp_out"), "what each MLP adds"),
        ("position 0", _lens(at=0), "position 0"),
        ("every position", _lens(at=slice(None)), "every position"),
        ("probabilities", _lens(end=lambda x: x.softmax(-1)), "probabilities"),
        ("last layer", _lens(end=lambda x: x[-1]), "last layer alone"),
        ("one layer for all", _lens(end=lambda x: x[-1:].expand_as(x)), "used in the loop"),
        ("first text", _lens(end=lambda x: x[:, 0]), "first text"),
        ("batch first", _lens(end=lambda x: x.transpose(0, 1)), "stack along axis 0"),
        ("a list", _lens(end=list), "torch.stack"),
    ],
}


RIGHT = {
    "next_tokens": [
        ("by sorting", _by_sorting),
        ("sorted tensors, text in", _by_arange),
    ],
    "zero_ablated": [
        ("model.hooks", _without_hooks),
        ("in place", _in_place),
        ("add and reset", _add_and_reset),
    ],
    "ablation_sweep": [
        ("lists", _sweep_by_lists),
        ("rows, the MLP first", _sweep_by_rows),
    ],
    "largest_excess": [
        ("by sums", _by_sums),
        ("einsum, lists", _by_einsum),
        ("numpy", _by_numpy),
    ],
    "put_back": [
        ("model.hooks", _patch_with_context),
        ("where", _patch_with_where),
    ],
    "handover": [
        ("a list", [3, 23, 24]),
        ("from the end", (-8, 23, 24)),
    ],
    "logit_lens": [
        ("unembed", _lens_by_unembed),
        ("hooks", _lens_by_hooks),
    ],
}
