"""Lesson 00: the library's version of each exercise, and plausible wrong answers."""

import torch
from torch.nn.functional import linear, log_softmax

from utils.circuits import residual

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


def _sweep_by_blocks(model, tokens, answers, ablate):
    damage = torch.zeros(2, len(model.blocks), len(tokens))
    with torch.no_grad():
        logits, _ = model.run_with_cache(tokens)
        assert torch.equal(logits, model.run_with_hooks(tokens, fwd_hooks=[]))
        intact = residual.answer_log_probs(logits, answers)
        for layer in range(len(model.blocks)):
            for kind, part in enumerate(["attn", "mlp"]):
                logits = ablate(model, tokens, f"blocks.{layer}.hook_{part}_out")
                damage[kind, layer] = intact - residual.answer_log_probs(logits, answers)
    return damage


def _sweep_by_hooks(model, tokens, answers, ablate):
    zero = [("blocks.0.hook_attn_out", lambda x, hook: torch.zeros_like(x))]
    return model.run_with_hooks(tokens, fwd_hooks=zero)


# --- Direct effects


def _direct(
    *,
    left=lambda parts, i: parts.sum(0) - parts[i],
    logits=lambda m, v: m.ln_final(v) @ m.W_U,
    score=lambda logits, a: logits.log_softmax(-1)[..., a],
    loss=lambda whole, rest: whole - rest,
    end=lambda x: x,
):
    def direct_effects(model, parts, answer):
        whole = score(logits(model, parts.sum(0)), answer)
        rest = [score(logits(model, left(parts, i)), answer) for i in range(len(parts))]
        return end(torch.stack([loss(whole, each) for each in rest]))

    return direct_effects


def _norm_first(model, parts, answer):
    final, normed = model.ln_final(parts.sum(0)), [model.ln_final(part) for part in parts]
    logits = torch.stack([final, *(final - part for part in normed)]) @ model.W_U
    scores = logits.log_softmax(-1)[:, answer]
    return scores[0] - scores[1:]


def _norm_kept(model, parts, answer):
    final = parts.sum(0)
    scale = model.ln_final(final) / final
    scores = (torch.stack([final, *(final - part for part in parts)]) * scale) @ model.W_U
    scores = scores.log_softmax(-1)[:, answer]
    return scores[0] - scores[1:]


def _direct_at_once(model, parts, answer):
    final = parts.sum(0, keepdim=True)
    both = model.unembed(model.ln_final(torch.cat([final, final - parts])[None]))[0]
    scores = log_softmax(both, -1)[:, answer]
    return scores[0] - scores[1:]


def _direct_by_items(model, parts, answer):
    def score(kept):
        total = sum(kept, torch.zeros_like(parts[0]))
        probabilities = linear(model.ln_final(total), model.W_U.T).softmax(0)
        return probabilities[answer].log().item()

    parts = list(parts)
    return torch.tensor(
        [score(parts) - score(parts[:i] + parts[i + 1 :]) for i in range(len(parts))]
    )


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


def _on_axis_0(x, source, position):
    x[position] = source[position]
    return x


def _nothing_else(x, source, position):
    x[:] = 0
    x[:, position] = source[:, position]
    return x


def _from_position_0(x, source, position):
    x[:, position] = source[:, 0]
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


def _lens_by_sums(model, tokens):
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        stream = residual.residual_parts(cache, model.cfg.n_layers).cumsum(0)[2::2, :, -1]
        return model.ln_final(stream) @ model.W_U


MISTAKES = {
    "zero_ablated": [
        ("the hook returns nothing", _ablate(lambda x: None), "Nothing was ablated"),
        ("no hook", _ablate(torch.zeros_like, names=lambda name: []), "Nothing was ablated"),
        ("last position", _ablate(_zero_at(-1)), "Only the last position is ablated"),
        ("first position", _ablate(_zero_at(0)), "Only position 0"),
        ("all but position 0", _ablate(_zero_at(slice(1, None))), "Position 0 is left"),
        ("the example", _ablate(lambda x: x / 2), "halved"),
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
        ("hook left on", _left_on, "A hook is still on the model"),
    ],
    "ablation_sweep": [
        ("sign", _sweep(damage=lambda intact, ablated: ablated - intact), "The sign: damage"),
        ("absolute", _sweep(end=torch.abs), "sign of the damage is lost"),
        ("no gains", _sweep(end=lambda x: x.clamp(min=0)), "Negative damage"),
        ("layer by layer", _sweep(end=lambda x: x.transpose(0, 1).reshape(x.shape)), "mixed up"),
        ("its own hooks", _sweep_by_hooks, "call `ablate(model, tokens, name)`"),
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
        (
            "every answer in every row",
            _sweep(lambda x, a: x[:, -1].log_softmax(-1)[:, a]),
            "every row",
        ),
    ],
    "direct_effects": [
        ("sign", _direct(loss=lambda whole, rest: rest - whole), "The sign: what is lost"),
        ("not compared", _direct(loss=lambda whole, rest: rest), "compare them with that"),
        ("the part alone", _direct(left=lambda p, i: p[i]), "kept the part alone"),
        ("one after another", _direct(left=lambda p, i: p[i + 1 :].sum(0)), "part after another"),
        ("no norm", _direct(logits=lambda m, v: v @ m.W_U), "final norm is missing"),
        ("normalised parts", _norm_first, "before you subtracted"),
        ("the whole's norm", _norm_kept, "kept the norm of the whole"),
        ("logits", _direct(score=lambda x, a: x[..., a]), "differences of logits"),
        (
            "probabilities",
            _direct(score=lambda x, a: x.softmax(-1)[..., a]),
            "differences of probabilities",
        ),
        ("added", _direct(left=lambda p, i: p.sum(0) + p[i]), "added once more"),
        ("absolute", _direct(end=torch.abs), "sign of the effect"),
        ("every token", _direct(score=lambda x, a: x.log_softmax(-1)), "for each token"),
        ("overwritten", _direct(end=lambda x: x[-1:].expand_as(x)), "overwritten in the loop"),
        ("a list", _direct(end=list), "torch.stack"),
    ],
    "put_back": [
        ("wrong way round", _patch(HERE, run=1), "wrong way round"),
        ("all positions", _patch(lambda x, s, p: s), "all positions"),
        ("the hook returns nothing", _patch(lambda x, s, p: None), "Nothing was put back"),
        ("added", _patch(_added), "*added*"),
        ("one position returned", _patch(lambda x, s, p: s[:, p]), "whole activation"),
        ("one position, its axis kept", _patch(lambda x, s, p: s[:, [p]]), "whole activation"),
        ("all else zero", _patch(_nothing_else), "other positions are set to zero"),
        ("source's position 0", _patch(_from_position_0), "the source's at position 0"),
        ("within the block", _patch(HERE, hook="hook_resid_mid"), "`hook_resid_mid`"),
        ("after the block", _patch(HERE, hook="hook_resid_post"), "*after* block"),
        ("the attention's output", _patch(HERE, hook="hook_attn_out"), "what the attention adds"),
        ("the MLP's output", _patch(HERE, hook="hook_mlp_out"), "what the MLP adds"),
        ("a layer too low", _patch(HERE, off=-1), "off by one"),
        ("up to the position", _patch(_at(lambda p: slice(0, p + 1))), "up to `position`"),
        ("from the position on", _patch(_at(lambda p: slice(p, None))), "from `position` on"),
        ("last position", _patch(_at(lambda p: -1)), "is put back, and not position 2"),
        ("first text", _patch(_first_text), "first text"),
        ("the batch's axis", _patch(_on_axis_0), "positions are axis 1"),
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
        ("a layer from the end", (3, 23, -6), "count from 0"),
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
    "zero_ablated": [
        ("model.hooks", _without_hooks),
        ("in place", _in_place),
        ("add and reset", _add_and_reset),
    ],
    "ablation_sweep": [
        ("lists", _sweep_by_lists),
        ("rows, the MLP first", _sweep_by_rows),
        ("the model's blocks, another intact run", _sweep_by_blocks),
    ],
    "direct_effects": [
        ("all at once", _direct_at_once),
        ("lists, without the part", _direct_by_items),
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
        ("sums of the parts", _lens_by_sums),
    ],
}
