"""Lesson 4.4: the library's version of each exercise, and plausible wrong answers."""

from functools import partial

import torch
from torch.nn import functional as F

# ---- A stand-in for an MLP ----------------------------------------------------------------------


def _splice(
    *,
    reads="mlp.hook_in",
    at=lambda layer: layer,
    keep=1,
    given=lambda x, y: (x, y),
    returned=lambda y: y,
    loss=lambda logits, tokens: F.cross_entropy(logits[0, :-1], tokens[0, 1:]).item(),
):
    def mlp_spliced_loss(model, tokens, stand_in, *, layer):
        seen = []

        def first(x, hook):
            seen.append(x)

        def second(y, hook):
            new = y.clone()
            new[0, keep:] = stand_in(*given(seen[-1][0, keep:], y[0, keep:]))
            return returned(new)

        block = f"blocks.{at(layer)}."
        hooks = [(block + reads, first), (block + "hook_mlp_out", second)]
        with torch.no_grad(), model.hooks(fwd_hooks=hooks):
            return loss(model(tokens), tokens)

    return mlp_spliced_loss


def _two_runs(model, tokens, stand_in, *, layer):
    """A cache first, then one hook; the loss as a tensor."""
    _, cache = model.run_with_cache(tokens)
    name = f"blocks.{layer}.hook_mlp_out"
    new = stand_in(cache[f"blocks.{layer}.mlp.hook_in"][0, 1:], cache[name][0, 1:])
    whole = torch.cat([cache[name][0, :1], new])[None]
    logits = model.run_with_hooks(tokens, fwd_hooks=[(name, lambda y, hook: whole)])
    log_probs = logits[0, :-1].log_softmax(-1)
    return -log_probs.gather(1, tokens[0, 1:, None]).mean()


def _row_by_row(model, tokens, stand_in, *, layer):
    """Hooks by name on the model itself, positions one by one, the loss as a float."""
    kept = {}

    def read(x, hook):
        kept["x"] = x.clone()

    def write(y, hook):
        new = stand_in(kept["x"][0, 1:], y[0, 1:].clone())
        rows = [y[0, 0]] + [new[i] for i in range(len(new))]
        return torch.stack(rows).unsqueeze(0)

    places = [(f"blocks.{layer}.mlp.hook_in", read), (f"blocks.{layer}.hook_mlp_out", write)]
    with torch.no_grad():
        log_probs = model.run_with_hooks(tokens, fwd_hooks=places)[0].log_softmax(-1)
    row = tokens[0].tolist()
    losses = [-log_probs[i, token] for i, token in enumerate(row[1:])]
    return float(sum(losses) / len(losses))


# ---- The linear replacement ---------------------------------------------------------------------


def _linear(
    *, left_out=(), late=False, detached=False, returned=lambda reads, logits: (reads, logits)
):
    def linear_run(model, tokens, cache, *, embeddings, writes):
        values, reads = {"hook_embed": embeddings}, {}
        values["ln_final.hook_scale"] = cache["ln_final.hook_scale"]
        for layer, written in enumerate(writes):
            for name in ("attn.hook_pattern", "ln1.hook_scale", "ln2.hook_scale"):
                values[f"blocks.{layer}.{name}"] = cache[f"blocks.{layer}.{name}"]
            values[f"blocks.{layer}.hook_mlp_out"] = written.detach() if detached else written
        if late:
            n = len(writes) - 1
            for name in list(values):
                if name.startswith("blocks."):
                    values[name] = values[f"blocks.{n}.{name.split('.', 2)[2]}"]
        kept = {k: v for k, v in values.items() if not any(k.endswith(each) for each in left_out)}

        def put(value):
            return lambda _, hook: value

        def keep(layer):
            return lambda x, hook: reads.__setitem__(layer, x)

        hooks = [(name, put(value)) for name, value in kept.items()]
        hooks += [(f"blocks.{n}.mlp.hook_in", keep(n)) for n in range(len(writes))]
        logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
        return returned([reads[name] for name in sorted(reads)], logits)

    return linear_run


def _layer_by_layer(model, tokens, cache, *, embeddings, writes):
    """Partial functions instead of closures, all hooks in one dictionary."""

    def replace(value, _, hook):
        return value

    reads = [None] * len(writes)

    def store(n, x, hook):
        reads[n] = x

    hooks = {"hook_embed": partial(replace, embeddings)}
    for name in ("attn.hook_pattern", "ln1.hook_scale", "ln2.hook_scale"):
        for n in range(len(writes)):
            full = f"blocks.{n}.{name}"
            hooks[full] = partial(replace, cache[full])
    hooks["ln_final.hook_scale"] = partial(replace, cache["ln_final.hook_scale"])
    for n, written in enumerate(writes):
        hooks[f"blocks.{n}.mlp.hook_in"] = partial(store, n)
        hooks[f"blocks.{n}.hook_mlp_out"] = partial(replace, written)
    logits = model.run_with_hooks(tokens, fwd_hooks=list(hooks.items()))
    return reads, logits


# ---- Influence ----------------------------------------------------------------------------------


def _inverse(
    *,
    size=torch.abs,
    total=lambda e: e.abs().sum(1, keepdim=True).clamp(min=1e-10),
    less=lambda n: torch.eye(n),
    turn=lambda a: a,
):
    def influence(effects, weights):
        share = turn(size(effects) / total(effects))
        n = len(effects)
        return weights @ (torch.linalg.inv(torch.eye(n) - share) - less(n))

    return influence


def _backwards(effects, weights):
    """Node by node from the end, which works since sources come first."""
    got = weights.clone()
    for target in range(len(effects) - 1, -1, -1):
        size = effects[target].abs()
        if size.sum() > 0:
            got = got + got[target] * size / size.sum()
    return got - weights


def _powers(effects, weights):
    """Powers of the whole matrix, one for each node."""
    size = effects.abs()
    share = size / torch.where(size.sum(1) > 0, size.sum(1), torch.ones(len(size)))[:, None]
    power, total = share, torch.zeros_like(share)
    for _ in range(len(effects)):
        total, power = total + power, power @ share
    return torch.einsum("t,ts->s", weights, total)


def _direct(effects, weights):
    size = effects.abs()
    return weights @ (size / size.sum(1, keepdim=True).clamp(min=1e-10))


def _divides_by_0(effects, weights):
    size = effects.abs()
    return weights @ (size / size.sum(1, keepdim=True))


# ---- Predicted changes --------------------------------------------------------------------------


def _predicted(
    *,
    start=lambda factor: factor - 1,
    divide=lambda node: node.activation,
    pinned=True,
    effects=lambda e: e,
):
    def predicted_change(graph, nodes, *, factor=0.0):
        chosen, change = set(nodes), [0.0] * len(graph.nodes)
        for i, node in enumerate(graph.nodes):
            if node.kind in ("feature", "logit"):
                if i in chosen:
                    change[i] = start(factor)
                if i not in chosen or not pinned:
                    row = effects(graph.effects)[i]
                    change[i] += sum(
                        float(a) * b for a, b in zip(row, change, strict=True)
                    ) / divide(node)
        return change[-1]

    return predicted_change


def _by_row_sums(graph, nodes, *, factor=0.0):
    change = [0.0] * len(graph.nodes)
    for i, node in enumerate(graph.nodes):
        row = graph.effects[i].tolist()
        if i in nodes:
            change[i] = factor - 1
        elif node.kind in ("feature", "logit"):
            total = 1.0 if node.kind == "logit" else sum(row)
            change[i] = sum(a * b for a, b in zip(row, change, strict=True)) / total
    return change[-1]


def _by_inverse(graph, nodes, *, factor=0.0):
    """One linear system instead of a loop; the result is a tensor."""
    n = len(graph.nodes)
    size = torch.tensor([node.activation for node in graph.nodes])
    share = graph.effects / size[:, None]
    share[nodes] = 0
    given = torch.zeros(n)
    given[nodes] = factor - 1
    return torch.linalg.solve(torch.eye(n) - share, given)[-1]


def _backwards_from_the_end(graph, nodes, *, factor=0.0):
    """What one unit of each node's share is worth to the output, from the end to the start."""
    n = len(graph.nodes)
    worth = torch.zeros(n)
    worth[n - 1] = 1.0
    for i in reversed(range(n)):
        if graph.nodes[i].kind in ("feature", "logit") and i not in nodes:
            worth += worth[i] * graph.effects[i] / graph.nodes[i].activation
    return float(sum(worth[i] for i in nodes) * (factor - 1))


def _only_direct(graph, nodes, *, factor=0.0):
    return (graph.effects[-1, nodes].sum() * (factor - 1)).item()


# ---- Cross-layer transcoders --------------------------------------------------------------------


def _crossed(
    *,
    total=torch.sum,
    square=torch.square,
    over=torch.mean,
    bias=lambda b: b[..., None, :],
    pairs=lambda decoders: list(decoders),
    weight=lambda norm, decoders, source: norm(decoders, source)[..., None, :],
    active=lambda a: a,
    targets=lambda writes: range(len(writes)),
    scale=1.0,
):
    def cross_layer_loss(acts, decoders, biases, writes, *, penalty, norm):
        loss = 0.0
        for target in targets(writes):
            made = bias(biases[target]) + torch.zeros_like(writes[target])
            for source, to in pairs(decoders):
                if to == target:
                    made = made + acts[source] @ decoders[source, to]
            loss = loss + over(total(square(made - writes[target]), -1), -1)
        for source in range(len(acts)):
            paid = active(acts[source]) * weight(norm, decoders, source)
            loss = loss + scale * penalty * over(paid.sum(-1), -1)
        return loss

    return cross_layer_loss


def _einsums(acts, decoders, biases, writes, *, penalty, norm):
    """All errors beside each other, and the penalty by einsum."""
    errors = []
    for target, wanted in enumerate(writes):
        parts = [
            torch.einsum("...nl,...ld->...nd", acts[at], weight)
            for (at, to), weight in decoders.items()
            if to == target
        ]
        errors.append(sum(parts) + biases[target].unsqueeze(-2) - wanted)
    loss = (torch.cat(errors, -1) ** 2).sum(-1).mean(-1)
    paid = sum(
        torch.einsum("...nl,...l->...n", each, norm(decoders, at)) for at, each in enumerate(acts)
    )
    return loss + penalty * paid.mean(-1)


def _stacked(acts, decoders, biases, writes, *, penalty, norm):
    """The penalty first, then errors, input by input in the mean."""
    paid = 0
    for at, each in enumerate(acts):
        paid = paid + (each.mean(-2) * norm(decoders, at)).sum(-1)
    missed = 0
    for to, (bias, wanted) in enumerate(zip(biases, writes, strict=True)):
        left = wanted - bias[..., None, :]
        for at in range(to + 1):
            weight = decoders.get((at, to))
            if weight is not None:
                left = left - torch.matmul(acts[at], weight)
        missed = missed + (left * left).mean(-2).sum(-1)
    return missed + paid * penalty


MISTAKES = {
    "mlp_spliced_loss": [
        ("the hook returns nothing", _splice(returned=lambda y: None), "does not get in"),
        ("BOS too", _splice(keep=0), "BOS was replaced"),
        ("swapped", _splice(given=lambda x, y: (y, x)), "swapped"),
        ("before the norm", _splice(reads="hook_resid_mid"), "before the norm"),
        ("the next block", _splice(at=lambda layer: (layer + 1) % 3), "Another block"),
        (
            "its own token",
            _splice(loss=lambda lg, t: F.cross_entropy(lg[0], t[0]).item()),
            "its own token",
        ),
        (
            "a sum",
            _splice(loss=lambda lg, t: F.cross_entropy(lg[0, :-1], t[0, 1:], reduction="sum")),
            "the sum over tokens",
        ),
    ],
    "linear_run": [
        ("patterns", _linear(left_out=["hook_pattern"]), "Attention patterns"),
        ("ln1", _linear(left_out=["ln1.hook_scale"]), "before attention"),
        ("ln2", _linear(left_out=["ln2.hook_scale"]), "before the MLPs"),
        ("the last norm", _linear(left_out=["ln_final.hook_scale"]), "last norm"),
        ("no norm", _linear(left_out=["hook_scale"]), "No norm"),
        ("MLPs run", _linear(left_out=["hook_mlp_out"]), "still write"),
        ("tokens' own", _linear(left_out=["hook_embed"]), "embeddings are the tokens'"),
        ("late binding", _linear(late=True), "loop's last value"),
        ("detached", _linear(detached=True), "gradients do not reach"),
        ("logits alone", _linear(returned=lambda reads, logits: logits), "Return a pair"),
        ("no reads", _linear(returned=lambda reads, logits: ([], logits)), "a list of 3"),
        (
            "reads in another order",
            _linear(returned=lambda reads, logits: (reads[::-1], logits)),
            "what the MLP of block 0 reads",
        ),
    ],
    "influence": [
        ("direct", _direct, "direct effects alone"),
        ("NaN", _divides_by_0, "divided by 0"),
        ("with the identity", _inverse(less=lambda n: torch.zeros(n, n)), "own weights"),
        ("not normalised", _inverse(total=lambda e: 1.0), "not divided"),
        (
            "columns",
            _inverse(total=lambda e: e.abs().sum(0, keepdim=True).clamp(min=1e-10)),
            "Columns",
        ),
        ("swapped", _inverse(turn=lambda a: a.T), "swapped"),
        (
            "signed",
            _inverse(size=lambda e: e, total=lambda e: e.sum(1, keepdim=True).clamp(min=1e-10)),
            "keep their sign",
        ),
    ],
    "predicted_change": [
        ("direct", _only_direct, "direct effects alone"),
        ("factor", _predicted(start=lambda f: f), "not by"),
        ("sign", _predicted(start=lambda f: 1 - f), "The sign"),
        ("not divided", _predicted(divide=lambda node: 1.0), "divided by its activation"),
        ("shares of the row", _by_row_sums, "biases in it"),
        ("not pinned", _predicted(pinned=False), "stays where it is put"),
        ("absolute", _predicted(effects=lambda e: e.abs()), "keep their sign"),
        ("swapped", _predicted(effects=lambda e: e.T), "swapped"),
        ("multiplied", _predicted(divide=lambda node: 1 / node.activation), "multiplies where"),
    ],
    "two_positions": [
        ("the strongest embedding", {3, 18}, "where the feature *is*"),
        ("the numbers' 15", {5, 17}, "stays active"),
        ("without BOS", {2, 16}, "one place off"),
        ("no 15", {3, 16}, "no 15"),
        ("one", {3}, "two positions"),
        ("twice", (3, 3), "two different"),
        ("words", {"15", "("}, "two different"),
    ],
    "cross_layer_loss": [
        ("no bias", _crossed(bias=lambda b: 0), "bias of each layer"),
        (
            "own layer alone",
            _crossed(pairs=lambda decoders: [pair for pair in decoders if pair[0] == pair[1]]),
            "later layers",
        ),
        ("mean over the stream", _crossed(total=torch.mean), "summed over the stream"),
        ("not squared", _crossed(square=torch.abs), "squared"),
        ("sums over inputs", _crossed(over=torch.sum), "means over inputs"),
        ("no norm", _crossed(weight=lambda *_: 1.0), "as much as its feature writes"),
        ("how many", _crossed(active=lambda a: (a > 0).float()), "how many are above 0"),
        ("the last layer", _crossed(targets=lambda writes: [len(writes) - 1]), "last alone"),
        ("no penalty", _crossed(scale=0.0), "penalty is missing"),
    ],
}

RIGHT = {
    "mlp_spliced_loss": [
        ("in place on a clone", _splice()),
        ("a cache and one hook", _two_runs),
        ("rows in a list", _row_by_row),
    ],
    "linear_run": [
        ("one hook for all", _linear()),
        (
            "a list, a tuple of reads",
            _linear(returned=lambda reads, logits: [tuple(reads), logits]),
        ),
        ("partial functions", _layer_by_layer),
    ],
    "influence": [("an inverse", _inverse()), ("from the end", _backwards), ("powers", _powers)],
    "predicted_change": [
        ("loops of floats", _predicted()),
        ("a linear system", _by_inverse),
        ("from the end", _backwards_from_the_end),
    ],
    "two_positions": [
        ("a tuple", (17, 3)),
        ("a list", [3, 17]),
        ("a tensor", torch.tensor([3, 17])),
    ],
    "cross_layer_loss": [
        ("loops over pairs", _crossed()),
        ("einsums", _einsums),
        ("what is left", _stacked),
    ],
}
