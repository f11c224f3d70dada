"""Lesson 1.1: plausible wrong answers, and right ones in other styles."""

from functools import partial

import torch
from transformer_lens.utilities import get_act_name

from utils.circuits import induction
from utils.heads import random_heads

# ---- stripe_scores


def _patterns(model, tokens):
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    return torch.stack(
        [cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(model.cfg.n_layers)]
    )


def _stripes(keys, reduce=lambda stripe: stripe.mean((1, 3))):
    """Scores from the cache: `keys(seq_len, back)` gives the queries, and how far they look."""

    def stripe_scores(model, tokens, *, back):
        queries, shift = keys((tokens.shape[1] - 1) // 2, back)
        queries = torch.tensor(list(queries))
        return reduce(_patterns(model, tokens)[..., queries, queries - shift])

    return stripe_scores


def _of_scores(model, tokens, *, back):
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    n, L = model.cfg.n_layers, tokens.shape[1] // 2
    scores = torch.stack([cache[f"blocks.{i}.attn.hook_attn_scores"] for i in range(n)])
    queries = torch.arange(L + 1, 2 * L + 1)
    return scores[..., queries, queries - back].mean((1, 3))


def _repeat(L, back):
    return range(L + 1, 2 * L + 1), back


def _from_diagonals(model, tokens, *, back):
    seq_len = tokens.shape[1] // 2
    scores = []
    for pattern in _patterns(model, tokens):
        stripe = pattern.diagonal(-back, dim1=-2, dim2=-1)  # [batch, head, query from `back` on]
        scores.append(stripe[:, :, seq_len + 1 - back :].mean(dim=(0, 2)))
    return torch.stack(scores)


def _one_by_one(model, tokens, *, back):
    seq_len, n_layers, n_heads = tokens.shape[1] // 2, model.cfg.n_layers, model.cfg.n_heads
    patterns = _patterns(model, tokens)
    scores = torch.zeros(n_layers, n_heads)
    for layer in range(n_layers):
        for head in range(n_heads):
            found = []
            for row in range(len(tokens)):
                for query in range(seq_len + 1, 2 * seq_len + 1):
                    found.append(patterns[layer, row, head, query, query - back].item())
            scores[layer, head] = sum(found) / len(found)
    return scores


@torch.no_grad()
def _by_context(model, tokens, *, back):
    seq_len, found = tokens.shape[1] // 2, {}

    def hook_of(layer):
        def hook(pattern, hook):
            found[layer] = torch.stack(
                [pattern[:, :, q, q - back] for q in range(seq_len + 1, 2 * seq_len + 1)]
            ).mean((0, 1))

        return hook

    hooks = [(get_act_name("pattern", i), hook_of(i)) for i in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=hooks):
        model(tokens)
    return torch.stack([found[layer] for layer in sorted(found)])


def _late_layer(model, tokens, *, back):
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    queries = torch.arange(tokens.shape[1] // 2 + 1, tokens.shape[1])
    hooks = []
    for layer in range(model.cfg.n_layers):

        def keep(pattern, hook):
            scores[layer] = pattern[:, :, queries, queries - back].mean((0, 2))  # noqa: B023

        hooks.append((f"blocks.{layer}.attn.hook_pattern", keep))
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=hooks)
    return scores[-1:].expand_as(scores)


def _never_run(model, tokens, *, back):
    return torch.zeros(model.cfg.n_layers, model.cfg.n_heads)


def _with_gradients(model, tokens, *, back):
    found = []
    queries = torch.arange(tokens.shape[1] // 2 + 1, tokens.shape[1])

    def keep(pattern, hook):
        found.append(pattern[:, :, queries, queries - back].mean((0, 2)))

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
    return torch.stack(found)


def _leaves_hooks(model, tokens, *, back):
    model.add_hook("blocks.0.attn.hook_pattern", lambda pattern, hook: None)
    return induction.stripe_scores(model, tokens, back=back)


def _whole_columns(model, tokens, *, back):
    L = tokens.shape[1] // 2
    return _patterns(model, tokens)[:, :, :, L + 1 :, L + 1 - back].mean((1, 3))


# ---- ablation_hooks


def _mean(z, numbers):
    return z[:, :, numbers].mean((0, 1), keepdim=True)


def _sorted(heads):
    found = {}
    for layer, head in heads:
        found.setdefault(layer, []).append(head)
    return found


def _name(layer):
    return f"blocks.{layer}.attn.hook_z"


def _put(value, where=lambda numbers: (slice(None), slice(None), numbers), groups=_sorted):
    """Hooks that put `value(z, numbers)` into a copy."""

    def ablation_hooks(model, heads):
        def hook_of(numbers):
            def hook_z(z, hook):
                out = z.clone()
                out[where(numbers)] = value(z, numbers)
                return out

            return hook_z

        return [(_name(layer), hook_of(numbers)) for layer, numbers in groups(heads).items()]

    return ablation_hooks


def _late_binding(model, heads):
    hooks = []
    for layer, numbers in _sorted(heads).items():

        def replace(z, hook):
            z = z.clone()
            z[:, :, numbers] = _mean(z, numbers)  # noqa: B023
            return z

        hooks.append((_name(layer), replace))
    return hooks


def _late_binding_heads(model, heads):
    hooks = []
    for layer, head in heads:

        def replace(z, hook):
            z = z.clone()
            z[:, :, head] = z[:, :, head].mean((0, 1))  # noqa: B023
            return z

        hooks.append((_name(layer), replace))
    return hooks


def _late_lambda(model, heads):
    def replace(z, numbers):
        z = z.clone()
        z[:, :, numbers] = _mean(z, numbers)
        return z

    return [
        (_name(layer), lambda z, hook: replace(z, numbers))  # noqa: B023, F821
        for layer, numbers in _sorted(heads).items()
    ]


def _in_place(model, heads):
    def hook_of(numbers):
        def hook_z(z, hook):
            z[:, :, numbers] = _mean(z, numbers)
            return z

        return hook_z

    return [(_name(layer), hook_of(numbers)) for layer, numbers in _sorted(heads).items()]


def _returns_none(model, heads):
    def hook_of(numbers):
        def hook_z(z, hook):
            z = z.clone()
            z[:, :, numbers] = _mean(z, numbers)

        return hook_z

    return [(_name(layer), hook_of(numbers)) for layer, numbers in _sorted(heads).items()]


def _called_already(model, heads):
    return [(_name(layer), torch.zeros(3)) for layer, _ in heads]


def _one_pair(model, heads):
    return _put(_mean)(model, heads[-1:])


def _only_those_heads(model, heads):
    return [
        (_name(layer), lambda z, hook, numbers=numbers: _mean(z, numbers))
        for layer, numbers in _sorted(heads).items()
    ]


def _overwritten(heads):
    return {layer: [head] for layer, head in heads}


def _first_only(heads):
    return {layer: [head] for layer, head in reversed(heads)}


def _no_hook_argument(model, heads):
    def replace(z):
        return z.mean((0, 1), keepdim=True).expand_as(z)

    return [(_name(layer), replace) for layer, _ in heads]


def _other_activation(model, heads):
    return [(name.replace("hook_z", "hook_v"), hook) for name, hook in _put(_mean)(model, heads)]


def _one_hook_a_head(model, heads):
    def hook_of(head):
        def hook_z(z, hook):
            others = torch.arange(z.shape[2]) != head
            mean = z.mean(dim=(0, 1), keepdim=True)
            return torch.where(others[:, None], z, mean)

        return hook_z

    return [(_name(layer), hook_of(head)) for layer, head in heads]


def _partial(model, heads):
    def replace(z, hook, numbers):
        new = z.clone()
        for head in numbers:
            new[:, :, head] = z[:, :, head].flatten(0, 1).mean(0)
        return new

    by_layer = _sorted(heads)
    return [
        (get_act_name("z", layer), partial(replace, numbers=by_layer[layer])) for layer in by_layer
    ]


def _default_argument(model, heads):
    hooks = []
    for layer in range(model.cfg.n_layers):
        numbers = [head for at, head in heads if at == layer]
        if not numbers:
            continue

        def replace(z, hook, numbers=numbers):
            mask = torch.zeros(z.shape[2], 1)
            mask[numbers] = 1
            return z * (1 - mask) + z.mean((0, 1)) * mask

        hooks.append((_name(layer), replace))
    return hooks


def _all_heads_of_the_layer(heads):
    return {layer: [0, 1, 2, 3] for layer, _ in heads}


def _all_numbers(heads):
    return {layer: [head for _, head in heads] for layer, _ in heads}


def _every_layer(heads):
    return {layer: [head for _, head in heads] for layer in range(3)}


# ---- fair_control


def _within(layers, n_layers, reach):
    return range(max(0, min(layers) - reach), min(n_layers, max(layers) + reach + 1))


def _control(
    pool=lambda layers, n_layers: _within(layers, n_layers, 2),
    *,
    size=len,
    but=lambda chosen: chosen,
    result=lambda sets, cost_of: (sets, cost_of(sets)),
):
    """A control as the course draws it, but for one thing."""

    def fair_control(cost_of, chosen, n, *, n_layers, n_heads, generator):
        layers = pool([layer for layer, _ in chosen], n_layers)
        settings = {"layers": layers, "n_heads": n_heads, "but": but(chosen)}
        sets = [random_heads(size(chosen), **settings, generator=generator) for _ in range(n)]
        return result(sets, cost_of)

    return fair_control


def _one_set(cost_of, chosen, n, **settings):
    sets, _ = induction.fair_control(cost_of, chosen, 1, **settings)
    return sets * n, cost_of(sets * n)


def _started_again(cost_of, chosen, n, *, generator, **settings):
    again = torch.Generator().manual_seed(generator.initial_seed())
    return induction.fair_control(cost_of, chosen, n, **settings, generator=again)


def _a_seed_of_its_own(cost_of, chosen, n, *, generator, **settings):
    own = torch.Generator().manual_seed(0)
    return induction.fair_control(cost_of, chosen, n, **settings, generator=own)


def _no_generator(cost_of, chosen, n, *, generator, **settings):
    return induction.fair_control(cost_of, chosen, n, **settings, generator=torch.default_generator)


def _drawn_twice(cost_of, chosen, n, **settings):
    sets, _ = induction.fair_control(cost_of, chosen, n, **settings)
    others, _ = induction.fair_control(cost_of, chosen, n, **settings)
    return sets, cost_of(others)


def _with_replacement(cost_of, chosen, n, *, n_layers, n_heads, generator):
    layers = [layer for layer, _ in chosen]
    near = [(i, j) for i in range(min(layers) - 2, max(layers) + 3) for j in range(n_heads)]
    near = [head for head in near if head not in chosen]
    sets = []
    for _ in range(n):
        at = torch.randint(len(near), (len(chosen),), generator=generator).tolist()
        sets.append([near[i] for i in at])
    return sets, cost_of(sets)


def _only_not_itself(cost_of, chosen, n, *, n_layers, n_heads, generator):
    """One stand-in for each head, which may be another head under test."""
    sets = []
    for _ in range(n):
        heads = []
        for layer, head in chosen:
            layers = range(layer - 1, layer + 2)
            drawn = {"layers": layers, "n_heads": n_heads, "but": [(layer, head), *heads]}
            heads += random_heads(1, **drawn, generator=generator)
        sets.append(heads)
    return sets, cost_of(sets)


def _stand_ins(cost_of, chosen, n, *, n_layers, n_heads, generator):
    """For each head one of the layers near its own."""
    sets = []
    for _ in range(n):
        heads = []
        for layer, _ in chosen:
            layers = range(max(0, layer - 1), min(n_layers, layer + 2))
            drawn = {"layers": layers, "n_heads": n_heads, "but": [*chosen, *heads]}
            heads += random_heads(1, **drawn, generator=generator)
        sets.append(heads)
    return sets, torch.cat([cost_of([heads]) for heads in sets])


def _by_shuffling(cost_of, chosen, n, *, n_layers, n_heads, generator):
    near = _within([layer for layer, _ in chosen], n_layers, 3)
    pool = [(i, j) for i in near for j in range(n_heads) if (i, j) not in chosen]
    orders = [torch.randperm(len(pool), generator=generator).tolist() for _ in range(n)]
    sets = [tuple(pool[at] for at in order[: len(chosen)]) for order in orders]
    return [sets, cost_of(sets)]


# ---- text_costs


def _losses(model, tokens, hooks):
    with torch.no_grad():
        return model.run_with_hooks(
            tokens, fwd_hooks=hooks, return_type="loss", loss_per_token=True
        )


def _pairs(ids):
    return list(zip(ids[:-1], ids[1:], strict=True))


def _earlier(ids):
    pairs = _pairs(ids)
    return [pair in pairs[:i] for i, pair in enumerate(pairs)]


def _texts(is_repeat=_earlier, finish=lambda costs: costs, less=1):
    """Costs from a rule that says of each predicted token whether it is a repeat."""

    def text_costs(model, tokens, hooks):
        added = _losses(model, tokens, hooks) - less * _losses(model, tokens, [])
        costs = []
        for ids, each in zip(tokens.tolist(), added, strict=True):
            repeat = torch.tensor(is_repeat(ids))
            costs.append(torch.stack([each[repeat].mean(), each[~repeat].mean()]))
        return finish(torch.stack(costs))

    return text_costs


def _shifted(by):
    return lambda ids: _earlier(ids)[-by:] + _earlier(ids)[:-by]


def _by_identity(ids):
    seen, found = set(), []
    for pair in _pairs(torch.tensor(ids).unbind()):
        found.append(pair in seen)
        seen.add(pair)
    return found


def _separately(ids):
    return [a in ids[:i] and b in ids[: i + 1] for i, (a, b) in enumerate(_pairs(ids))]


def _unordered(ids):
    pairs = [set(pair) for pair in _pairs(ids)]
    return [pair in pairs[:i] for i, pair in enumerate(pairs)]


def _text_pool(model, tokens, hooks):
    added = _losses(model, tokens, hooks) - _losses(model, tokens, [])
    repeat = torch.tensor([_earlier(ids) for ids in tokens.tolist()])
    return torch.stack([added[repeat].mean(), added[~repeat].mean()])


def _across(model, tokens, hooks):
    seen, costs = set(), []
    added = _losses(model, tokens, hooks) - _losses(model, tokens, [])
    for ids, each in zip(tokens.tolist(), added, strict=True):
        mask = []
        for pair in _pairs(ids):
            mask.append(pair in seen)
            seen.add(pair)
        mask = torch.tensor(mask)
        costs.append(torch.stack([each[mask].mean(), each[~mask].mean()]))
    return torch.stack(costs)


def _divided_by_all(model, tokens, hooks):
    added = _losses(model, tokens, hooks) - _losses(model, tokens, [])
    repeat = torch.tensor([_earlier(ids) for ids in tokens.tolist()])
    return torch.stack([(added * repeat).mean(1), (added * ~repeat).mean(1)], dim=1)


def _vectorised(model, tokens, hooks):
    added = _losses(model, tokens, hooks) - _losses(model, tokens, [])
    before, after = tokens[:, :-1], tokens[:, 1:]
    equal = (before[:, :, None] == before[:, None]) & (after[:, :, None] == after[:, None])
    repeat = equal.tril(-1).any(-1)
    return torch.stack([(added * kind).sum(1) / kind.sum(1) for kind in (repeat, ~repeat)], dim=1)


def _with_sets(model, tokens, hooks):
    intact, changed = _losses(model, tokens, []), _losses(model, tokens, hooks)
    out = torch.zeros(len(tokens), 2)
    for row, ids in enumerate(tokens.tolist()):
        seen, kinds = set(), ([], [])
        for at in range(1, len(ids)):
            pair = (ids[at - 1], ids[at])
            kinds[0 if pair in seen else 1].append(changed[row, at - 1] - intact[row, at - 1])
            seen.add(pair)
        out[row] = torch.tensor([sum(kind) / len(kind) for kind in kinds])
    return out


MISTAKES = {
    "stripe_scores": [
        ("scores before the softmax", _of_scores, "before the softmax"),
        (
            "the whole diagonal",
            _stripes(lambda L, back: (range(back, 2 * L + 1), back)),
            "Only queries in the repeat",
        ),
        (
            "the repeat's first query left out",
            _stripes(lambda L, back: (range(L + 2, 2 * L + 1), back)),
            "first token is left out",
        ),
        (
            "BOS forgotten",
            _stripes(lambda L, back: (range(L, 2 * L), back)),
            "since BOS is at 0",
        ),
        (
            "the last query left out",
            _stripes(lambda L, back: (range(L + 1, 2 * L), back)),
            "last query is left out",
        ),
        (
            "one position too near",
            _stripes(lambda L, back: (range(L + 1, 2 * L + 1), back - 1)),
            "nearer",
        ),
        (
            "one position too far",
            _stripes(lambda L, back: (range(L + 1, 2 * L + 1), back + 1)),
            "further back",
        ),
        (
            "always induction",
            _stripes(lambda L, back: (range(L + 1, 2 * L + 1), L - 1)),
            "`back` is not used",
        ),
        ("a sum", _stripes(_repeat, lambda s: s.sum((1, 3))), "take the mean"),
        ("the sum along the stripe", _stripes(_repeat, lambda s: s.sum(3).mean(1)), "the mean"),
        ("one row", _stripes(_repeat, lambda s: s[:, 0].mean(-1)), "Only the first row"),
        ("rows kept", _stripes(_repeat, lambda s: s.mean(3)), "over the batch too"),
        ("heads averaged away", _stripes(_repeat, lambda s: s.mean((2, 3))), "keep the heads"),
        ("queries kept", _stripes(_repeat, lambda s: s.mean(1)), "along the stripe"),
        ("transposed", _stripes(_repeat, lambda s: s.mean((1, 3)).T), "swapped"),
        ("the largest", _stripes(_repeat, lambda s: s.amax(3).mean(1)), "largest"),
        ("a late layer", _late_layer, "last layer's scores"),
        ("nothing kept", _never_run, "All scores are 0"),
        ("gradients", _with_gradients, "no_grad"),
        ("hooks left on", _leaves_hooks, "a hook stays on it"),
        ("a list", lambda *a, **k: [*induction.stripe_scores(*a, **k)], "one tensor"),
        ("one key for all queries", _whole_columns, "one key for each query"),
    ],
    "ablation_hooks": [
        ("a late-binding closure", _late_binding, "loop's last value"),
        ("in place", _in_place, "in place"),
        ("no return", _returns_none, "must *return*"),
        ("zero", _put(lambda z, numbers: 0.0), "zero ablation"),
        ("one head a layer", _put(_mean, groups=_overwritten), "overwrites the first"),
        ("a closure for each head", _late_binding_heads, "Every hook ablates the last head"),
        ("the first head of a layer", _put(_mean, groups=_first_only), "first head of a layer"),
        ("the last head alone", _one_pair, "every layer"),
        ("all heads of the layer", _put(_mean, groups=_all_heads_of_the_layer), "leave those"),
        ("all numbers in each layer", _put(_mean, groups=_all_numbers), "sort the heads by layer"),
        ("every layer", _put(_mean, groups=_every_layer), "in every layer"),
        (
            "positions",
            _put(
                lambda z, numbers: z[:, numbers].mean((0, 1), keepdim=True),
                where=lambda numbers: (slice(None), numbers),
            ),
            "positions, not heads",
        ),
        (
            "over the batch only",
            _put(lambda z, numbers: z[:, :, numbers].mean(0, keepdim=True)),
            "batch *and* positions",
        ),
        (
            "over positions only",
            _put(lambda z, numbers: z[:, :, numbers].mean(1, keepdim=True)),
            "batch *and* positions",
        ),
        (
            "over d_head too",
            _put(lambda z, numbers: z[:, :, numbers].mean((0, 1, 3), keepdim=True)),
            "a vector",
        ),
        (
            "one mean for all",
            _put(lambda z, numbers: z[:, :, numbers].mean((0, 1, 2))),
            "share one mean",
        ),
        ("the mean of all heads", _put(lambda z, numbers: z.mean((0, 1, 2))), "*all* heads"),
        (
            "without BOS",
            _put(lambda z, numbers: z[:, 1:, numbers].mean((0, 1), keepdim=True)),
            "BOS is left out",
        ),
        (
            "the mean taken off",
            _put(lambda z, numbers: z[:, :, numbers] - _mean(z, numbers)),
            "taken off",
        ),
        (
            "layer and head swapped",
            lambda model, heads: _put(_mean)(model, [(head, layer) for layer, head in heads]),
            "swapped",
        ),
        ("only the ablated heads", _only_those_heads, "fails with"),
        ("no hook argument", _no_hook_argument, "fails with TypeError"),
        ("called already", _called_already, "should be a function"),
        ("another activation", _other_activation, "hook_z"),
        ("a dictionary", lambda model, heads: dict(_put(_mean)(model, heads)), "list of pairs"),
    ],
    "fair_control": [
        (
            "past the model's ends",
            _control(lambda layers, _: range(min(layers) - 2, max(layers) + 3)),
            "There is no",
        ),
        ("a wide band", _control(lambda layers, n: _within(layers, n, 4)), "layers away"),
        ("from anywhere", _control(lambda layers, n_layers: range(n_layers)), "layers away"),
        ("up to the tested layers", _control(lambda layers, _: range(max(layers))), "layers away"),
        ("later layers", _control(lambda layers, _: range(min(layers), max(layers) + 3)), "after"),
        ("earlier", _control(lambda layers, _: range(min(layers) - 3, max(layers))), "before the"),
        ("their own layers alone", _control(lambda layers, _: sorted(set(layers))), "much alike"),
        ("the first layer alone", _control(lambda layers, _: layers[:1]), "much alike"),
        ("five, whatever is tested", _control(size=lambda chosen: 5), "number of heads"),
        ("one head", _control(size=lambda chosen: 1), "number of heads"),
        ("the tested heads allowed", _control(but=lambda chosen: []), "`but=chosen`"),
        ("all but the first allowed", _control(but=lambda chosen: chosen[:1]), "`but=chosen`"),
        ("only not itself", _only_not_itself, "`but=chosen`"),
        ("with replacement", _with_replacement, "twice in one set"),
        ("one set for all", _one_set, "All sets are the same"),
        ("no generator", _no_generator, "*global* generator"),
        ("a seed of its own", _a_seed_of_its_own, "Two seeds"),
        ("the generator started again", _started_again, "start it again"),
        ("the sets alone", _control(result=lambda sets, cost_of: sets), "two things"),
        (
            "one set too few",
            _control(result=lambda sets, cost_of: (sets[1:], cost_of(sets[1:]))),
            "Asked for",
        ),
        (
            "a mean over rows",
            _control(result=lambda sets, cost_of: (sets, cost_of(sets).mean(1))),
            "mean over rows",
        ),
        (
            "a mean over sets",
            _control(result=lambda sets, cost_of: (sets, cost_of(sets).mean(0))),
            "mean over the sets",
        ),
        ("other sets run", _drawn_twice, "draw twice"),
    ],
    "text_costs": [
        ("swapped", _texts(finish=lambda costs: costs.flip(1)), "swapped: repeats come first"),
        (
            "any earlier token",
            _texts(lambda ids: [b in ids[:i] for i, b in enumerate(ids[1:], 1)]),
            "after the same token",
        ),
        (
            "the predecessor alone",
            _texts(lambda ids: [a in ids[:i] for i, a in enumerate(ids[:-1])]),
            "*predecessor*",
        ),
        (
            "the first time too",
            _texts(lambda ids: [_pairs(ids).count(p) > 1 for p in _pairs(ids)]),
            "*earlier*",
        ),
        ("late by one", _texts(_shifted(1)), "Off by one"),
        ("early by one", _texts(_shifted(-1)), "Off by one"),
        ("one entry late", _texts(lambda ids: [False, *_earlier(ids)[:-1]]), "one entry late"),
        ("tensors in a set", _texts(_by_identity), "by identity"),
        ("separately", _texts(_separately), "separately"),
        ("either order", _texts(_unordered), "order of the pair"),
        ("the sign", _texts(finish=lambda costs: -costs), "The sign"),
        ("nothing subtracted", _texts(less=0), "subtract the intact"),
        ("pooled", _text_pool, "pooled"),
        ("pairs of other texts", _across, "start each text anew"),
        ("over all tokens", _divided_by_all, "mean over each kind"),
        ("transposed", _texts(finish=lambda costs: costs.T), ""),
        ("no hooks", _texts(finish=torch.zeros_like), "no effect"),
        ("a list", _texts(finish=lambda costs: [*costs]), "one tensor"),
    ],
    "shared_head": [
        ("swapped", (0, 16), "swapped"),
        ("an induction head", (18, 6), "one of the five"),
        ("a companion", (19, 3), "That head is not it"),
        ("another of its layer", (16, 1), "That head is not it"),
        ("an early head", (2, 1), "no head of that layer"),
        ("a name", "L16H0", "as a pair"),
        ("beyond the model", (31, 0), "no such head"),
        ("several", [(16, 0), (19, 3)], "two whole numbers"),
    ],
}

RIGHT = {
    "stripe_scores": [
        ("the cache and diagonals", _from_diagonals),
        ("one entry at a time", _one_by_one),
        ("`model.hooks`, and a closure for each layer", _by_context),
    ],
    "ablation_hooks": [
        ("one hook for each head, with where", _one_hook_a_head),
        ("partial, and a loop over heads", _partial),
        ("a default argument, and a mask", _default_argument),
    ],
    "fair_control": [
        ("a stand-in for each head", _stand_ins),
        ("by shuffling, in tuples", _by_shuffling),
        ("a tuple", _control(result=lambda sets, cost_of: (tuple(sets), cost_of(sets)))),
        ("a wider band", _control(lambda layers, n_layers: _within(layers, n_layers, 3))),
    ],
    "text_costs": [
        ("all pairs at once", _vectorised),
        ("a set of what was seen", _with_sets),
    ],
    "shared_head": [("a list", [16, 0]), ("a tensor", torch.tensor([16, 0]))],
}
