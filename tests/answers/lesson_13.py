"""Lesson 1.3: right answers in other styles, and plausible wrong ones."""

import torch

from utils.circuits import attribution
from utils.stats import bootstrap


def _scale(x, eps=1e-5):
    return (x.pow(2).mean(-1) + eps).sqrt()


def _heads(
    *,
    at=-1,
    layer=lambda i: i,
    number=lambda h: h,
    fold=lambda direction, weight: direction * weight,
    scale=lambda cache, n: _scale(cache["resid_post", n - 1][:, -1]),
    end=lambda out: out,
):
    """`attribute_heads` as a loop, with one thing changed."""

    def attribute_heads(cache, model, direction):
        n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
        along = fold(direction, model.ln_final.weight)
        rows = []
        for i in range(n_layers):
            row = []
            for h in range(n_heads):
                written = cache["z", i][:, at, h] @ model.W_O[layer(i), number(h)]
                row.append((written * along).sum(-1) / scale(cache, n_layers))
            rows.append(torch.stack(row))
        return end(torch.stack(rows))

    return attribute_heads


def _own_scale(cache, model, direction):
    z = torch.stack([cache["z", i][:, -1] for i in range(model.cfg.n_layers)])
    written = torch.einsum("lbhe,lhed->lhbd", z, model.W_O)
    return (model.ln_final(written) * direction).sum(-1)


def _lens_scale(cache, model, direction):
    z = torch.stack([cache["z", i][:, -1] for i in range(model.cfg.n_layers)])
    scale = torch.stack([_scale(cache["resid_post", i][:, -1]) for i in range(len(z))])
    written = torch.einsum("lbhe,lhed->lhbd", z, model.W_O)
    return (written * direction * model.ln_final.weight).sum(-1) / scale[:, None]


def _by_dots(cache, model, direction):
    n = model.cfg.n_layers
    x = cache["resid_post", n - 1][:, -1, :]
    read = (direction * model.ln_final.weight) / torch.sqrt(
        torch.mean(x**2, dim=-1, keepdim=True) + model.cfg.eps
    )
    per_layer = [
        torch.einsum("bhe,hed,bd->hb", cache[f"blocks.{i}.attn.hook_z"][:, -1], model.W_O[i], read)
        for i in range(n)
    ]
    return torch.stack(per_layer)


@torch.no_grad()
def _by_matrices(cache, model, direction):
    x = cache["resid_post", -1][:, -1]
    scale = x.norm(dim=-1) / x.shape[-1] ** 0.5
    z = torch.stack([cache["z", i] for i in range(model.cfg.n_layers)])[:, :, -1]
    to_z = torch.einsum("lhed,bd->lbhe", model.W_O.data, direction * model.ln_final.weight.data)
    return ((z * to_z).sum(-1) / scale[:, None]).permute(0, 2, 1)


def _in_place(cache, model, direction):
    direction *= model.ln_final.weight
    return _heads(fold=lambda d, w: d)(cache, model, direction)


def _names(others, *, sign=1, back=False):
    """`name_directions` against the mean of the tokens that `others(names, io, s, n)` gives."""

    def name_directions(W_U, io, s, names):
        found = []
        for i, j in zip(io.tolist(), s.tolist(), strict=True):
            mean = W_U[:, others(names.tolist(), i, j, W_U.shape[1])].mean(1)
            found.append((sign * (W_U[:, i] - mean), sign * (W_U[:, j] - mean)))
        to_io, to_s = (torch.stack(each) for each in zip(*found, strict=True))
        return (to_s, to_io) if back else (to_io, to_s)

    return name_directions


def _absent(names, i, j, n):
    return [k for k in names if k not in (i, j)]


def _first_reference(W_U, io, s, names):
    absent = [k for k in names.tolist() if k not in (int(io[0]), int(s[0]))]
    mean = W_U[:, absent].mean(1)
    return W_U[:, io].T - mean, W_U[:, s].T - mean


def _any_prompt(W_U, io, s, names):
    mean = W_U[:, [k for k in names.tolist() if k not in io.tolist() + s.tolist()]].mean(1)
    return W_U[:, io].T - mean, W_U[:, s].T - mean


def _by_sums(W_U, io, s, names):
    both = W_U[:, io].T + W_U[:, s].T
    mean = (W_U[:, names].sum(1) - both) / (len(names) - 2)
    return [W_U[:, io].T - mean, W_U[:, s].T - mean]


def _by_masks(W_U, io, s, names):
    kept = torch.stack(
        [names[(names != a) & (names != b)] for a, b in zip(io, s, strict=True)]
    )  # [batch, absent]
    reference = W_U[:, kept].mean(-1)
    return tuple((W_U[:, own] - reference).T for own in (io, s))


def _over_eight(W_U, io, s, names):
    absent = ((names != io[:, None]) & (names != s[:, None])).float()
    total = absent @ W_U[:, names].T / 8
    return W_U[:, io].T - total, W_U[:, s].T - total


def _but_itself(W_U, io, s, names):
    total = W_U[:, names].sum(1)
    return tuple(W_U[:, own].T - (total - W_U[:, own].T) / (len(names) - 1) for own in (io, s))


def _undivided(W_U, io, s, names):
    absent = ((names != io[:, None]) & (names != s[:, None])).float()
    total = absent @ W_U[:, names].T
    return W_U[:, io].T - total, W_U[:, s].T - total


def _beyond(
    *,
    controls=lambda head, suspects, n: [
        (head[0], i) for i in range(n) if (head[0], i) != head and (head[0], i) not in suspects
    ],
    take=lambda own, each: own - each.mean(0),
    end=lambda beyond: (beyond.mean().item(), *bootstrap(beyond)),
):
    """`beyond_controls` with one thing changed."""

    def beyond_controls(change_without, head, suspects, n_heads):
        each = [change_without(other) for other in controls(head, suspects, n_heads)]
        return end(take(change_without(head), torch.stack(each)))

    return beyond_controls


def _free(head, suspects, n):
    return [
        (head[0], i) for i in set(range(n)) - {head[1]} - {h for at, h in suspects if at == head[0]}
    ]


def _apart(change_without, head, suspects, n_heads):
    each = torch.stack([change_without(other) for other in _free(head, suspects, n_heads)]).mean(0)
    own = change_without(head)
    a, b = bootstrap(own), bootstrap(each)
    return (own.mean() - each.mean()).item(), a.low - b.high, a.high - b.low


def _means_first(change_without, head, suspects, n_heads):
    """The controls' mean over prompts, a number: what prompts share is still in the interval."""
    each = torch.stack([change_without(other) for other in _free(head, suspects, n_heads)])
    beyond = change_without(head) - each.mean()
    return beyond.mean().item(), *bootstrap(beyond)


def _pooled(change_without, head, suspects, n_heads):
    """Every pair of a prompt and a control as a row of its own."""
    own, free = change_without(head), _free(head, suspects, n_heads)
    pairs = torch.cat([own - change_without(each) for each in free])
    return pairs.mean().item(), *bootstrap(pairs)


def _ends_averaged(change_without, head, suspects, n_heads):
    own, free = change_without(head), _free(head, suspects, n_heads)
    pairs = [own - change_without(each) for each in free]
    ends = torch.tensor([list(bootstrap(pair)) for pair in pairs]).mean(0)
    return torch.stack(pairs).mean().item(), *ends.tolist()


def _quantiles(low):
    """The interval between two other quantiles of the bootstrap's means."""

    def end(beyond):
        drawn = torch.randint(len(beyond), (4000, len(beyond)), generator=torch.manual_seed(1))
        ends = beyond[drawn].mean(1).quantile(torch.tensor([low, 1 - low]))
        return beyond.mean().item(), *ends.tolist()

    return end


def _every_head(change_without, head, suspects, n_heads):
    """Measures the whole layer, and uses what may serve."""
    layer = [change_without((head[0], number)) for number in range(n_heads)]
    free = [layer[number] for _, number in _free(head, suspects, n_heads)]
    beyond = layer[head[1]] - sum(free) / len(free)
    return beyond.mean().item(), *bootstrap(beyond)


def _two_errors(change_without, head, suspects, n_heads):
    total, n = 0.0, 0
    for number in range(n_heads):
        if number != head[1] and (head[0], number) not in list(suspects):
            total, n = total + change_without((head[0], number)), n + 1
    beyond = change_without(head) - total / n
    error = beyond.std() / len(beyond) ** 0.5
    return beyond.mean(), beyond.mean() - 2 * error, beyond.mean() + 2 * error


def _own_draws(change_without, head, suspects, n_heads):
    own, random = change_without(head), torch.Generator().manual_seed(5)
    beyond = sum(own - change_without(each) for each in _free(head, suspects, n_heads))
    beyond = beyond / len(_free(head, suspects, n_heads))
    drawn = torch.randint(len(own), (2000, len(own)), generator=random)
    means = beyond[drawn].mean(1)
    return [beyond.mean(), *means.quantile(torch.tensor([0.025, 0.975]))]


def _fall(**change):
    """`waterfall` as loops, with one thing changed."""
    how = {
        "fold": lambda d, w: d * w,
        "by": lambda old, new: old,
        "at": lambda change: change[:, -1],
        "attention": lambda layer, n: range(layer + 1, n),
        "mlps": lambda layer, n: range(layer, n),
        "norm": lambda was, now, old, new: now / new - now / old,
        "end": lambda each: each,
    } | change

    def waterfall(before, after, model, direction, layer):
        n = model.cfg.n_layers
        along = how["fold"](direction, model.ln_final.weight)
        was, now = (run["resid_post", n - 1][:, -1] for run in (before, after))
        old, new = _scale(was), _scale(now)

        def write(name, layers):
            total = torch.zeros(len(direction))
            for i in layers:
                total = total + (how["at"](after[name, i] - before[name, i]) * along).sum(-1)
            return total / how["by"](old, new)

        return how["end"](
            {
                "direct": write("attn_out", [layer]),
                "later attention": write("attn_out", how["attention"](layer, n)),
                "later MLPs": write("mlp_out", how["mlps"](layer, n)),
                "norm": how["norm"]((was * along).sum(-1), (now * along).sum(-1), old, new),
            }
        )

    return waterfall


def _own_scales(before, after, model, direction, layer):
    n, along = model.cfg.n_layers, direction * model.ln_final.weight

    def write(run, name, layers):
        scale = _scale(run["resid_post", n - 1][:, -1])
        rows = [(run[name, i][:, -1] * along).sum(-1) / scale for i in layers]
        return sum(rows, torch.zeros(len(direction)))

    spans = {
        "direct": ("attn_out", [layer]),
        "later attention": ("attn_out", range(layer + 1, n)),
        "later MLPs": ("mlp_out", range(layer, n)),
    }
    found = {key: write(after, *span) - write(before, *span) for key, span in spans.items()}
    return found | {"norm": torch.zeros(len(direction))}


def _bare_sums(before, after, model, direction, layer):
    """`sum` of nothing is 0, a number."""
    n, along = model.cfg.n_layers, direction * model.ln_final.weight
    was, now = (run["resid_post", n - 1][:, -1] for run in (before, after))

    def write(name, layers):
        return sum(
            ((after[name, i] - before[name, i])[:, -1] * along).sum(-1) / _scale(was)
            for i in layers
        )

    whole = (now * along).sum(-1)
    return {
        "direct": write("attn_out", [layer]),
        "later attention": write("attn_out", range(layer + 1, n)),
        "later MLPs": write("mlp_out", range(layer, n)),
        "norm": whole / _scale(now) - whole / _scale(was),
    }


def _stacked(before, after, model, direction, layer):
    n, along = model.cfg.n_layers, direction * model.ln_final.weight

    def parts(run, name):
        return torch.stack([run[f"blocks.{i}.hook_{name}"][:, -1] for i in range(n)])

    was, now = (run["resid_post", n - 1][:, -1] for run in (before, after))
    old, new = _scale(was), _scale(now)
    attention, mlps = (
        ((parts(after, name) - parts(before, name)) * along).sum(-1) / old
        for name in ("attn_out", "mlp_out")
    )
    total = (now * along).sum(-1) / new - (was * along).sum(-1) / old
    rest = total - attention.sum(0) - mlps.sum(0)
    later = attention[layer + 1 :].sum(0)
    return {
        "norm": rest,
        "direct": attention[layer],
        "later attention": later,
        "later MLPs": mlps[layer:].sum(0),
    }


def _einsums(before, after, model, direction, layer):
    n = model.cfg.n_layers
    last = [run["resid_post", n - 1][:, -1] for run in (before, after)]
    scales = [(x**2).mean(-1).add(model.cfg.eps).sqrt() for x in last]
    along = direction * model.ln_final.weight / scales[0][:, None]
    found = {"direct": torch.zeros(len(direction))}
    found |= {"later attention": found["direct"].clone(), "later MLPs": found["direct"].clone()}
    for i in range(layer, n):
        for name, key in (("attn_out", "later attention"), ("mlp_out", "later MLPs")):
            key = "direct" if (i, name) == (layer, "attn_out") else key
            change = after[name, i][:, -1] - before[name, i][:, -1]
            found[key] = found[key] + torch.einsum("bd,bd->b", change, along)
    whole = torch.einsum("bd,bd->b", last[1], along)
    return found | {"norm": whole * (scales[0] / scales[1] - 1)}


def _ov(
    *,
    read=lambda block, x: block.ln1(x),
    group=lambda number, n_groups, n_heads: number // (n_heads // n_groups),
    norm=lambda model, written: written * model.ln_final.weight,
    columns=lambda names: names,
    end=lambda logits: logits - logits.mean(1, keepdim=True),
):
    def ov_on_names(model, head, x, names):
        layer, number = head
        of = group(number, model.W_V.shape[1], model.cfg.n_heads)
        value = read(model.blocks[layer], x) @ model.W_V[layer, of]
        written = norm(model, value @ model.W_O[layer, number])
        return end(written @ model.W_U[:, columns(names)])

    return ov_on_names


def _ov_loop(model, head, x, names):
    shared = model.W_V.repeat_interleave(model.cfg.n_heads // model.W_V.shape[1], dim=1)
    W_OV = shared[head] @ model.W_O[head]
    rows = []
    for each in x:
        written = model.blocks[head[0]].ln1(each[None, None])[0, 0] @ W_OV
        logits = torch.stack([(written * model.ln_final.weight) @ model.W_U[:, k] for k in names])
        rows.append(logits - logits.mean())
    return torch.stack(rows)


def _ov_einsum(model, head, x, names):
    layer, number = head
    read = x / (x.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
    read = read * model.blocks[layer].ln1.weight
    W_V = model.W_V[layer][number * len(model.W_V[layer]) // model.cfg.n_heads]
    out = model.W_U[:, names] - model.W_U[:, names].mean(1, keepdim=True)
    return torch.einsum(
        "nd,de,ef,f,fm->nm", read, W_V, model.W_O[layer, number], model.ln_final.weight, out
    )


def _sum_over_heads(out):
    return out.sum(1)


MISTAKES = {
    "attribute_heads": [
        ("no weight", _heads(fold=lambda d, w: d), "weight is missing"),
        ("weight's size", _heads(fold=lambda d, w: d * w.abs()), "absolute value"),
        ("weight divided", _heads(fold=lambda d, w: d / w), "multiplies by it"),
        ("no scale", _heads(scale=lambda c, n: 1.0), "scale is missing"),
        ("neither", _heads(fold=lambda d, w: d, scale=lambda c, n: 1.0), "Both the norm's"),
        (
            "multiplied",
            _heads(scale=lambda c, n: 1 / _scale(c["resid_post", n - 1][:, -1])),
            "mult",
        ),
        ("length", _heads(scale=lambda c, n: c["resid_post", n - 1][:, -1].norm(dim=-1)), "length"),
        (
            "no root",
            _heads(scale=lambda c, n: c["resid_post", n - 1][:, -1].pow(2).mean(-1)),
            "its *root*",
        ),
        (
            "standard deviation",
            _heads(scale=lambda c, n: c["resid_post", n - 1][:, -1].std(-1, correction=0)),
            "standard deviation",
        ),
        ("own scale", _own_scale, "*own* scale"),
        ("each layer's scale", _lens_scale, "after *that* layer"),
        (
            "first layer's scale",
            _heads(scale=lambda c, n: _scale(c["resid_post", 0][:, -1])),
            "*first* layer",
        ),
        (
            "one scale",
            _heads(scale=lambda c, n: _scale(c["resid_post", n - 1][:, -1].flatten())),
            "mean over `d_model` alone",
        ),
        (
            "scale of the first position",
            _heads(scale=lambda c, n: _scale(c["resid_post", n - 1][:, 0])),
            "first position",
        ),
        ("first position", _heads(at=0), "first position"),
        ("off by one", _heads(at=-2), "Off by one"),
        ("late binding", _heads(layer=lambda i: -1), "last layer's W_O"),
        ("first layer's W_O", _heads(layer=lambda i: 0), "first layer's W_O"),
        ("first head's W_O", _heads(number=lambda h: 0), "first head's W_O"),
        ("first direction", _heads(fold=lambda d, w: d[:1] * w), "first one's direction"),
        ("mean direction", _heads(fold=lambda d, w: d.mean(0) * w), "mean direction"),
        ("absolute", _heads(end=torch.abs), "sign is lost"),
        ("batch before head", _heads(end=lambda out: out.transpose(1, 2)), "another order"),
        ("summed", _heads(end=_sum_over_heads), "each attention layer"),
        ("mean", _heads(end=lambda out: out.mean(-1)), "keep them apart"),
        ("flat", _heads(end=lambda out: out.flatten(0, 1)), "share one axis"),
        ("squeezed", _heads(end=lambda out: out.squeeze()), "keeps its axis"),
        ("in place", _in_place, "changes its input `direction`"),
        (
            "unit direction",
            _heads(fold=lambda d, w: d / d.norm(dim=-1, keepdim=True) * w),
            "length one",
        ),
    ],
    "name_directions": [
        ("no reference", lambda W, i, s, n: (W[:, i].T, W[:, s].T), "no reference yet"),
        ("all tokens", _names(lambda names, i, j, n: list(range(n))), "all names alike"),
        ("all names", _names(lambda names, i, j, n: names), "lowers S alone"),
        (
            "each other",
            lambda W, i, s, n: ((W[:, i] - W[:, s]).T, (W[:, s] - W[:, i]).T),
            "lowers S alone",
        ),
        (
            "all tokens but two",
            _names(lambda names, i, j, n: [k for k in range(n) if k not in (i, j)]),
            "all names alike",
        ),
        (
            "no names",
            _names(lambda names, i, j, n: [k for k in range(n) if k not in names]),
            "all names alike",
        ),
        ("without IO", _names(lambda names, i, j, n: [k for k in names if k != i]), "S is still"),
        ("without S", _names(lambda names, i, j, n: [k for k in names if k != j]), "IO is still"),
        ("swapped", _names(_absent, back=True), "IO comes first"),
        ("sign", _names(_absent, sign=-1), "minus its reference"),
        ("first prompt's reference", _first_reference, "of the first one's absent names"),
        ("in any prompt", _any_prompt, "in *any* prompt"),
        ("sum", _undivided, "the *sum*"),
        ("columns", lambda *a: [x.T for x in attribution.name_directions(*a)], "[batch, d_model]"),
        ("over 8", _over_eight, "divided by 8"),
        ("all but itself", _but_itself, "all names but itself"),
        ("one of two", lambda *a: attribution.name_directions(*a)[0], "two tensors"),
    ],
    "beyond_controls": [
        (
            "suspects serve",
            _beyond(controls=lambda head, _, n: [(head[0], i) for i in range(n) if i != head[1]]),
            "Suspects are among",
        ),
        (
            "all heads serve",
            _beyond(controls=lambda head, _, n: [(head[0], i) for i in range(n)]),
            "and suspects are among",
        ),
        (
            "the head serves",
            _beyond(controls=lambda head, s, n: [*_free(head, s, n), head]),
            "itself is among",
        ),
        ("one head", _beyond(controls=lambda *a: _free(*a)[:1]), "A single head"),
        ("the last head", _beyond(controls=lambda *a: _free(*a)[-1:]), "A single head"),
        (
            "another layer",
            _beyond(controls=lambda head, _, n: [(head[0] - 1, i) for i in range(n)]),
            "another layer",
        ),
        (
            "the number in other layers",
            _beyond(controls=lambda head, *_: [(head[0] - 1, head[1])]),
            "another layer",
        ),
        (
            "swapped",
            _beyond(controls=lambda head, _, n: [(i, head[0]) for i in range(99)]),
            "does not exist",
        ),
        ("sum", _beyond(take=lambda own, each: own - each.sum(0)), "*sum*"),
        ("median", _beyond(take=lambda own, each: own - each.median(0).values), "median"),
        ("no control", _beyond(take=lambda own, each: own), "no control"),
        ("control alone", _beyond(take=lambda own, each: each.mean(0)), "without the controls"),
        ("sign", _beyond(take=lambda own, each: each.mean(0) - own), "The sign"),
        ("sizes", _beyond(take=lambda own, each: own.abs() - each.abs().mean(0)), "signs"),
        ("size", _beyond(take=lambda own, each: (own - each.mean(0)).abs()), "keep its sign"),
        (
            "suspects' numbers",
            _beyond(
                controls=lambda head, suspects, n: [
                    (head[0], i)
                    for i in range(n)
                    if i != head[1] and i not in [number for _, number in suspects]
                ]
            ),
            "*another layer*",
        ),
        ("range too short", _beyond(controls=lambda h, s, n: _free(h, s, n - 1)), "last head"),
        (
            "order",
            _beyond(end=lambda b: (bootstrap(b)[0], b.mean().item(), bootstrap(b)[1])),
            "The order",
        ),
        ("pooled", _pooled, "independent"),
        ("ends averaged", _ends_averaged, "a single control"),
        ("90%", _beyond(end=_quantiles(0.05)), "of 90%"),
        ("99%", _beyond(end=_quantiles(0.005)), "of 99%"),
        ("two intervals", _apart, "different prompts"),
        ("means first", _means_first, "change alone"),
        (
            "spread of the prompts",
            _beyond(end=lambda b: (b.mean().item(), *b.quantile(torch.tensor([0.025, 0.975])))),
            "95% of the *prompts*",
        ),
        (
            "one standard error",
            _beyond(
                end=lambda b: [(b.mean() + k * b.std() / len(b) ** 0.5).item() for k in (0, -1, 1)]
            ),
            "*one* standard error",
        ),
        (
            "distances",
            _beyond(
                end=lambda b: (
                    b.mean().item(),
                    *(b.mean().item() - each for each in bootstrap(b)),
                )
            ),
            "interval",
        ),
        ("prompts kept", _beyond(end=lambda b: (b, *bootstrap(b))), "three single numbers"),
        ("interval alone", _beyond(end=bootstrap), "only the last two"),
    ],
    "waterfall": [
        ("no weight", _fall(fold=lambda d, w: d), "weight is missing"),
        ("new scale", _fall(by=lambda old, new: new), "run *after*"),
        ("no scale", _fall(by=lambda old, new: 1.0), "scale is missing"),
        ("own scales", _own_scales, "its own scale"),
        ("own layer twice", _fall(attention=lambda i, n: range(i, n)), "ablated layer's own"),
        ("own MLP left out", _fall(mlps=lambda i, n: range(i + 1, n)), "its own MLP too"),
        ("last layer left out", _fall(mlps=lambda i, n: range(i, n - 1)), "last layer"),
        (
            "norm acts before",
            _fall(norm=lambda was, now, old, new: was / new - was / old),
            "stream *before*",
        ),
        (
            "norm is the whole",
            _fall(norm=lambda was, now, old, new: now / new - was / old),
            "whole effect",
        ),
        (
            "sign of the norm",
            _fall(norm=lambda was, now, old, new: now / old - now / new),
            "sign of the norm",
        ),
        ("ratio", _fall(norm=lambda was, now, old, new: old / new), "ratio of the scales"),
        ("signs", _fall(end=lambda e: {k: -v for k, v in e.items()}), "after minus before"),
        ("means", _fall(end=lambda e: {k: v.mean() for k, v in e.items()}), "single number"),
        ("first direction", _fall(fold=lambda d, w: d[:1] * w), "first one's direction"),
        ("runs swapped", lambda b, a, *rest: attribution.waterfall(a, b, *rest), "swapped"),
        ("all positions", _fall(at=lambda change: change.sum(1)), "summed over the positions"),
        ("bare sums", _bare_sums, "later attention"),
        ("tuple", _fall(end=lambda e: tuple(e.values())), "dictionary"),
        ("other keys", _fall(end=lambda e: e | {"total": e["norm"]}), "with the keys"),
    ],
    "ov_on_names": [
        ("not centred", _ov(end=lambda out: out), "row's mean"),
        ("centred by column", _ov(end=lambda out: out - out.mean(0)), "*column's* mean"),
        ("centred as a whole", _ov(end=lambda out: out - out.mean()), "each row's own"),
        (
            "transposed",
            _ov(end=lambda out: (out - out.mean(1, keepdim=True)).T),
            "axes are swapped",
        ),
        ("no ln1", _ov(read=lambda block, x: x), "`ln1` is missing"),
        ("no scale", _ov(read=lambda block, x: x * block.ln1.weight), "by its scale"),
        ("no final weight", _ov(norm=lambda model, written: written), "final norm's weight"),
        ("final norm", _ov(norm=lambda model, written: model.ln_final(written)), "by a scale too"),
        ("all tokens", _ov(columns=lambda names: slice(None)), "All tokens"),
        ("first columns", _ov(columns=lambda names: slice(len(names))), "not their columns"),
        ("head as group", _ov(group=lambda number, g, n: number), "out of bounds"),
        ("group by remainder", _ov(group=lambda number, g, n: number % g), "another group's"),
        ("first group", _ov(group=lambda number, g, n: 0), "first group"),
        (
            "size",
            _ov(end=lambda out: (out - out.mean(1, keepdim=True)).abs()),
            "sign is lost",
        ),
    ],
    "invisible_head": [
        ("the top head", (23, 3), "writes to the difference itself"),
        ("a mover", (23, 0), "writes to the difference itself"),
        ("the second", (19, 2), "three times its effect"),
        ("another", (20, 2), "matters more"),
        ("swapped", (0, 20), "layer comes first"),
        ("no such head", (31, 0), "no such head"),
        ("a name", "L20H0", "not as text"),
        ("three", (20, 0, 1), "one head"),
        ("a number", 20, "form that is asked for"),
    ],
}

RIGHT = {
    "attribute_heads": [
        ("loops", _heads()),
        ("the direction is scaled", _by_dots),
        ("the direction goes through W_O", _by_matrices),
    ],
    "name_directions": [
        ("a loop", _names(_absent)),
        ("stacked", lambda *a: torch.stack(_by_sums(*a))),
        ("sums", _by_sums),
        ("masks", _by_masks),
    ],
    "beyond_controls": [
        ("a list of differences", _beyond()),
        ("two standard errors", _two_errors),
        ("own draws", _own_draws),
        ("every head", _every_head),
    ],
    "waterfall": [("loops", _fall()), ("the norm as the rest", _stacked), ("einsum", _einsums)],
    "ov_on_names": [
        ("in steps", _ov()),
        ("a loop", _ov_loop),
        ("einsum", _ov_einsum),
    ],
    "invisible_head": [("a list", [20, 0]), ("a tensor", torch.tensor([20, 0]))],
}
