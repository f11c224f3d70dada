"""Lesson 1.1: plausible wrong answers, and right ones in other styles."""

from functools import partial

import torch
from transformer_lens.utilities import get_act_name

from utils.circuits import induction

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


# ---- repeat_costs


def _losses(model, tokens, hooks):
    with torch.no_grad():
        return model.run_with_hooks(
            tokens, fwd_hooks=hooks, return_type="loss", loss_per_token=True
        )


def _costs(cut=lambda added, L: added[:, L + 1 :].mean(1), less=lambda intact: intact):
    """Costs from [batch, pos - 1] of what the hooks add."""

    def repeat_costs(model, tokens, interventions):
        L, intact = tokens.shape[1] // 2, less(_losses(model, tokens, []))
        return torch.stack(
            [cut(_losses(model, tokens, hooks) - intact, L) for hooks in interventions]
        )

    return repeat_costs


def _hooks_pile_up(model, tokens, interventions):
    costs, L, all_hooks = [], tokens.shape[1] // 2, []
    intact = _losses(model, tokens, [])
    for hooks in interventions:
        all_hooks += hooks
        costs.append((_losses(model, tokens, all_hooks) - intact)[:, L + 1 :].mean(1))
    return torch.stack(costs)


def _adds_hooks(model, tokens, interventions):
    costs, L = [], tokens.shape[1] // 2
    intact = _losses(model, tokens, [])
    for hooks in interventions:
        for name, hook in hooks:
            model.add_hook(name, hook)
        costs.append((_losses(model, tokens, []) - intact)[:, L + 1 :].mean(1))
    return torch.stack(costs)


def _gradients(model, tokens, interventions):
    def loss(hooks):
        with model.hooks(fwd_hooks=hooks):
            each = model(tokens, return_type="loss", loss_per_token=True)
        return each[:, tokens.shape[1] // 2 + 1 :].mean(1)

    intact = loss([])
    return torch.stack([loss(hooks) - intact for hooks in interventions])


def _intact_each_time(model, tokens, interventions):
    L = tokens.shape[1] // 2
    return torch.stack(
        [
            (_losses(model, tokens, hooks) - _losses(model, tokens, []))[:, L + 1 :].mean(1)
            for hooks in interventions
        ]
    )


def _hooks_off(model, tokens, interventions):
    return torch.zeros(len(interventions), len(tokens))


@torch.no_grad()
def _from_logits(model, tokens, interventions):
    L, costs = tokens.shape[1] // 2, []
    for hooks in [[], *interventions]:
        log_probs = model.run_with_hooks(tokens, fwd_hooks=hooks)[:, :-1].log_softmax(-1)
        picked = log_probs.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)
        costs.append(-picked[:, -(L - 1) :].mean(-1))
    return torch.stack(costs[1:]) - costs[0]


def _row_by_row(model, tokens, interventions):
    L = tokens.shape[1] // 2
    intact = _losses(model, tokens, [])
    costs = torch.empty(len(interventions), len(tokens))
    for i, hooks in enumerate(interventions):
        each = _losses(model, tokens, hooks)
        for row in range(len(tokens)):
            added = [each[row, at] - intact[row, at] for at in range(L + 1, 2 * L)]
            costs[i, row] = sum(added) / len(added)
    return costs


# ---- matched_sets


def _sets(pool=None, per_set=None, again=False):
    """Sets as the course draws them, but for the pool of one head or what a set becomes."""

    def matched_sets(chosen, n, *, reach, n_layers, n_heads, generator):
        if again:
            generator = torch.Generator().manual_seed(generator.initial_seed())
        sets, ever = [], []
        for _ in range(n):
            drawn = []
            for head in chosen:
                size = {"reach": reach, "n_layers": n_layers, "n_heads": n_heads}
                free = (pool or _free)(head, list(chosen), drawn, ever=ever, **size)
                at = torch.randint(len(free), (1,), generator=generator).item()
                drawn.append(free[at])
                ever.append(free[at])
            sets.append(per_set(drawn) if per_set else drawn)
        return sets

    return matched_sets


def _near(head, reach, n_layers, n_heads):
    layers = range(max(0, head[0] - reach), min(n_layers, head[0] + reach + 1))
    return [(i, j) for i in layers for j in range(n_heads)]


def _free(head, chosen, drawn, *, ever=(), **size):
    return [other for other in _near(head, **size) if other not in chosen + drawn]


def _chosen_allowed(head, chosen, drawn, *, ever, **size):
    return [other for other in _near(head, **size) if other not in drawn]


def _only_not_itself(head, chosen, drawn, *, ever, **size):
    return [other for other in _near(head, **size) if other != head and other not in drawn]


def _twice(head, chosen, drawn, *, ever, **size):
    return _free(head, chosen, [], **size)


def _last_layer_left_out(head, chosen, drawn, *, ever, reach, n_layers, n_heads):
    layers = range(max(0, head[0] - reach), max(head[0] - reach + 1, head[0] + reach))
    near = [(i, j) for i in layers for j in range(n_heads)]
    return [other for other in near if other not in chosen + drawn] or [(head[0], 0)]


def _beyond_the_model(head, chosen, drawn, *, ever, reach, n_layers, n_heads):
    layers = range(head[0] - reach, head[0] + reach + 1)
    return [(i, j) for i in layers for j in range(n_heads) if (i, j) not in chosen + drawn]


def _anywhere(head, chosen, drawn, *, ever, reach, n_layers, n_heads):
    return _free(head, chosen, drawn, reach=n_layers, n_layers=n_layers, n_heads=n_heads)


def _first_head_s_layers(head, chosen, drawn, *, ever, **size):
    return _free(chosen[0], chosen, drawn, **size)


def _no_generator(chosen, n, *, reach, n_layers, n_heads, generator):
    size = {"reach": reach, "n_layers": n_layers, "n_heads": n_heads}
    sets = []
    for _ in range(n):
        drawn = []
        for head in chosen:
            free = _free(head, list(chosen), drawn, **size)
            drawn.append(free[torch.randint(len(free), (1,)).item()])
        sets.append(drawn)
    return sets


def _one_set(chosen, n, **settings):
    return induction.matched_sets(chosen, 1, **settings) * n


def _a_seed_of_its_own(chosen, n, *, generator, **settings):
    own = torch.Generator().manual_seed(0)
    return induction.matched_sets(chosen, n, **settings, generator=own)


def _never_again(head, chosen, drawn, *, ever, **size):
    last = ever[-(len(ever) % len(chosen) + len(chosen)) :]
    return [h for h in _free(head, chosen, drawn, **size) if h not in last] or _free(
        head, chosen, drawn, **size
    )


def _by_layer_first(chosen, n, *, reach, n_layers, n_heads, generator):
    """Draws a layer, and draws again where the head is taken: layers are even, heads are not."""
    sets = []
    for _ in range(n):
        drawn = []
        for layer, _ in chosen:
            low, high = max(0, layer - reach), min(n_layers - 1, layer + reach)
            free = []
            while not free:
                at = torch.randint(low, high + 1, (1,), generator=generator).item()
                free = [(at, j) for j in range(n_heads) if (at, j) not in [*chosen, *drawn]]
            drawn.append(free[torch.randint(len(free), (1,), generator=generator).item()])
        sets.append(drawn)
    return sets


def _by_rejection(chosen, n, *, reach, n_layers, n_heads, generator):
    sets = []
    while len(sets) < n:
        heads = []
        while len(heads) < len(chosen):
            layer = chosen[len(heads)][0]
            i = torch.randint(layer - reach, layer + reach + 1, (1,), generator=generator).item()
            j = torch.randint(n_heads, (1,), generator=generator).item()
            if 0 <= i < n_layers and (i, j) not in heads and (i, j) not in chosen:
                heads.append((i, j))
        sets.append(heads)
    return sets


def _by_shuffling(chosen, n, *, reach, n_layers, n_heads, generator):
    taken = {tuple(head) for head in chosen}
    everything = [(i, j) for i in range(n_layers) for j in range(n_heads)]
    sets = []
    for _ in range(n):
        heads = []
        for layer, _ in chosen:
            order = torch.randperm(len(everything), generator=generator).tolist()
            heads.append(
                next(
                    everything[at]
                    for at in order
                    if abs(everything[at][0] - layer) <= reach
                    and everything[at] not in taken | set(heads)
                )
            )
        sets.append(heads)
    return sets


# ---- text_costs


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
        ("hooks left on", _leaves_hooks, "changes its input `model`"),
        ("a list", lambda *a, **k: [*induction.stripe_scores(*a, **k)], "one tensor"),
        ("one key for all queries", _whole_columns, "one key for each query"),
    ],
    "ablation_hooks": [
        ("a late-binding closure", _late_binding, "as they are when it is called"),
        ("in place", _in_place, "in place"),
        ("no return", _returns_none, "must *return*"),
        ("zero", _put(lambda z, numbers: 0.0), "zero ablation"),
        ("one head a layer", _put(_mean, groups=_overwritten), "overwritten"),
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
    "repeat_costs": [
        ("the first token", _costs(lambda a, L: a[:, L:].mean(1)), "leave it out"),
        ("one too few", _costs(lambda a, L: a[:, L + 2 :].mean(1)), "One token too many"),
        ("the whole row", _costs(lambda a, L: a.mean(1)), "only the repeat"),
        ("the first half", _costs(lambda a, L: a[:, :L].mean(1)), "first half"),
        ("turned round", _costs(lambda a, L: -a[:, L + 1 :].mean(1)), "The sign"),
        ("no intact model", _costs(less=lambda intact: 0 * intact), "Subtract the intact"),
        ("each token", _costs(lambda a, L: a[:, L + 1 :]), "Each token"),
        ("a sum", _costs(lambda a, L: a[:, L + 1 :].sum(1)), "take the mean"),
        ("over rows", _costs(lambda a, L: a[:, L + 1 :].mean()), "each row's cost"),
        (
            "not paired",
            _costs(less=lambda intact: intact[:, intact.shape[1] // 2 + 1 :].mean()),
            "not paired",
        ),
        ("hooks pile up", _hooks_pile_up, "add up"),
        ("hooks stay on", _adds_hooks, "changes its input `model`"),
        ("gradients", _gradients, "no_grad"),
        ("hooks never on", _hooks_off, "no effect"),
        ("the intact model each time", _intact_each_time, "run it once"),
        (
            "transposed",
            lambda *given: induction.repeat_costs(*given).T,
            "swapped",
        ),
        ("a list", lambda *given: [*induction.repeat_costs(*given)], "one tensor"),
    ],
    "matched_sets": [
        ("the chosen allowed", _sets(_chosen_allowed), "A chosen head"),
        ("only not itself", _sets(_only_not_itself), "*all* the chosen"),
        ("a head twice", _sets(_twice), "twice"),
        ("the last layer left out", _sets(_last_layer_left_out), ""),
        ("beyond the model", _sets(_beyond_the_model), "There is no"),
        ("from anywhere", _sets(_anywhere), "layers away"),
        ("near the first head", _sets(_first_head_s_layers), "*own*"),
        ("no generator", _no_generator, "*global* generator"),
        ("one set for all", _one_set, "All sets are the same"),
        ("a seed of its own", _a_seed_of_its_own, "Two seeds"),
        ("the generator started again", _sets(again=True), "start it again"),
        (
            "one set too few",
            lambda chosen, n, **s: induction.matched_sets(chosen, n, **s)[1:],
            "Asked for",
        ),
        (
            "out of order",
            _sets(per_set=lambda drawn: sorted(drawn, reverse=True)),
            "another order",
        ),
        ("lists for heads", _sets(per_set=lambda drawn: [[*head] for head in drawn]), "tuple"),
        ("layers even", _by_layer_first, "evenly"),
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
        ("an early head", (2, 1), "No matched draw"),
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
    "repeat_costs": [
        ("log-probabilities by hand", _from_logits),
        ("row by row", _row_by_row),
        ("run_with_hooks", _costs()),
    ],
    "matched_sets": [
        ("by rejection", _by_rejection),
        ("by shuffling", _by_shuffling),
        ("tuples for sets", _sets(per_set=tuple)),
    ],
    "text_costs": [
        ("all pairs at once", _vectorised),
        ("a set of what was seen", _with_sets),
    ],
    "shared_head": [("a list", [16, 0]), ("a tensor", torch.tensor([16, 0]))],
}
