"""Answers to lesson 5.1: right ones in other styles, and plausible mistakes."""

from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from itertools import groupby

import torch
from torch.nn import functional as F

# ---- Ablating heads -----------------------------------------------------------------------------


def _z(layer):
    return f"blocks.{layer}.attn.hook_z"


def _by_layer(heads):
    found = {}
    for layer, head in heads:
        found.setdefault(layer, []).append(head)
    return found


def _set_zero(z, heads, at):
    """In place, head by head."""
    for head in heads:
        z[(slice(None), slice(None)) if at is None else at, ..., head, :] = 0


def _index(z, head, at):
    if at is None:
        z[:, :, head] = 0
    else:
        z[at[0], at[1], head] = 0


def _index_twice(z, head, at):
    if at is None:
        z[:, :, head] = 0
    else:
        z[at[0], at[1]][:, head] = 0


def _all_heads_there(z, head, at):
    if at is None:
        z[:, :, head] = 0
    else:
        z[at] = 0


def _without(
    *,
    heads=lambda heads: heads,
    at=lambda at, tokens: at,
    set_zero=_index,
    copied=torch.clone,
    returned=True,
    name=_z,
    also=(),
):
    """The right answer, or with another part."""

    @contextmanager
    def without_heads(model, given, *, at_given=None, **words):
        places = words.get("at", at_given)
        numbers = _by_layer(heads(list(given)))

        def zero(z, hook):
            z = copied(z)
            for head in numbers[hook.layer()]:
                set_zero(z, head, at(places, z))
            return z if returned else None

        hooks = [(name(layer), zero) for layer in numbers]
        hooks += [
            (f"blocks.{layer}.{each}", lambda x, hook: 0.5 * x)
            for layer in numbers
            for each in also
        ]
        with model.hooks(fwd_hooks=hooks):
            yield

    return without_heads


def _at(change):
    """Where `at` is given, other places."""
    return _without(at=lambda at, z: at if at is None else change(at[0], at[1], z))


def _masked(mask):
    """Where `at` is given, those of a mask [text, pos]."""

    def set_zero(z, head, at):
        if at is None:
            z[:, :, head] = 0
        else:
            z[:, :, head][mask(*at, torch.arange(z.shape[1]), len(z))] = 0

    return _without(set_zero=set_zero)


def _until(text, pos, columns, n, *, op=torch.le):
    mask = torch.zeros(n, len(columns), dtype=torch.bool)
    for t, p in zip(text, pos, strict=True):
        mask[t] |= op(columns, p)
    return mask


def _others(text, pos, columns, n):
    mask = torch.ones(n, len(columns), dtype=torch.bool)
    mask[text, pos] = False
    return mask


def _filled(fill):
    def set_zero(z, head, at):
        new = fill(z, head)
        if at is None:
            z[:, :, head] = new.expand_as(z[:, :, head])
        else:
            z[at[0], at[1], head] = new.expand_as(z[:, :, head])[at]

    return _without(set_zero=set_zero)


def _all_at_once(z, numbers, at):
    z = z.clone()
    if at is None:
        z[:, :, numbers] = 0
    else:
        z[at[0], at[1], numbers] = 0
    return z


@contextmanager
def _late(model, heads, *, at=None):
    hooks = []
    for layer, numbers in _by_layer(heads).items():
        hooks.append((_z(layer), lambda z, hook: _in_loop(z, numbers, at)))  # noqa: B023
    with model.hooks(fwd_hooks=hooks):
        yield


@contextmanager
def _late_head(model, heads, *, at=None):
    hooks = []
    for layer, head in heads:
        hooks.append((_z(layer), lambda z, hook: _in_loop(z, [head], at)))  # noqa: B023
    with model.hooks(fwd_hooks=hooks):
        yield


def _in_loop(z, numbers, at):
    z = z.clone()
    for head in numbers:
        _index(z, head, at)
    return z


@contextmanager
def _at_once(model, heads, *, at=None):
    hooks = [
        (_z(layer), partial(lambda z, hook, some: _all_at_once(z, some, at), some=some))
        for layer, some in _by_layer(heads).items()
    ]
    with model.hooks(fwd_hooks=hooks):
        yield


def _hooks(heads, at=None):
    return [
        (_z(layer), partial(lambda z, hook, some: _in_loop(z, some, at), some=some))
        for layer, some in _by_layer(heads).items()
    ]


def _a_list(model, heads, *, at=None):
    return _hooks(heads, at)


@contextmanager
def _a_list_decorated(model, heads, *, at=None):
    return _hooks(heads, at)


@contextmanager
def _a_context_decorated(model, heads, *, at=None):
    return model.hooks(fwd_hooks=_hooks(heads, at))


@contextmanager
def _no_yield(model, heads, *, at=None):
    with model.hooks(fwd_hooks=_hooks(heads, at)):
        pass


def _no_decorator(model, heads, *, at=None):
    with model.hooks(fwd_hooks=_hooks(heads, at)):
        yield


@contextmanager
def _yields_too_late(model, heads, *, at=None):
    with model.hooks(fwd_hooks=_hooks(heads, at)):
        pass
    yield


@contextmanager
def _yields_often(model, heads, *, at=None):
    for hook in _hooks(heads, at):
        with model.hooks(fwd_hooks=[hook]):
            yield


@contextmanager
def _stays(model, heads, *, at=None):
    for name, hook in _hooks(heads, at):
        model.add_hook(name, hook)
    yield


@contextmanager
def _stays_after_errors(model, heads, *, at=None):
    added = []
    for name, hook in _hooks(heads, at):
        added.append(model.hook_dict[name].add_hook(hook))
    yield
    for handle in added:
        handle.hook.remove()


@contextmanager
def _resets_all(model, heads, *, at=None):
    for name, hook in _hooks(heads, at):
        model.add_hook(name, hook)
    try:
        yield
    finally:
        model.reset_hooks()


@contextmanager
def _swallows(model, heads, *, at=None):
    with suppress(Exception), model.hooks(fwd_hooks=_hooks(heads, at)):
        yield


@contextmanager
def _switches_gradients(model, heads, *, at=None):
    torch.set_grad_enabled(False)
    with model.hooks(fwd_hooks=_hooks(heads, at)):
        yield


@contextmanager
def _first_run_alone(model, heads, *, at=None):
    seen = []

    def once(hook):
        def zero(z, hook):
            seen.append(hook.layer())
            return wrapped(z, hook) if seen.count(hook.layer()) == 1 else z

        wrapped = hook
        return zero

    with model.hooks(fwd_hooks=[(name, once(hook)) for name, hook in _hooks(heads, at)]):
        yield


@contextmanager
def _by_hook_name(model, heads, *, at=None):
    numbers = {_z(layer): some for layer, some in _by_layer(heads).items()}
    with model.hooks(
        fwd_hooks=[(name, lambda z, hook: _in_loop(z, numbers[hook.name], at)) for name in numbers]
    ):
        yield


@contextmanager
def _layers_exchanged(model, heads, *, at=None):
    with model.hooks(fwd_hooks=_hooks([(head, layer) for layer, head in heads], at)):
        yield


@contextmanager
def _not_filled_in(model, heads, *, at=None):
    if model is not None:
        raise NotImplementedError("fill this in")
    yield


def _keeps_heads_busy(model, heads, *, at=None):
    taken = [heads.pop() for _ in list(heads)] if isinstance(heads, list) else heads
    return model.hooks(fwd_hooks=_hooks(taken, at))


# Right ones.


def _returns_a_context(model, heads, *, at=None):
    """No decorator: what `model.hooks` gives is a context already."""
    return model.hooks(fwd_hooks=_hooks(heads, at))


@contextmanager
def _a_mask(model, heads, *, at=None):
    """One product with 0 and 1, a function that makes hooks."""

    def hook_of(numbers):
        def zero(z, hook):
            keep = torch.ones(z.shape[:3], device=z.device)
            if at is None:
                keep[:, :, numbers] = 0
            else:
                keep[at[0][:, None], at[1][:, None], torch.tensor(numbers)] = 0
            return torch.einsum("tphd,tph->tphd", z, keep)

        return zero

    hooks = []
    for layer, pairs in groupby(sorted(heads), key=lambda head: head[0]):
        hooks.append((_z(layer), hook_of([number for _, number in pairs])))
    with model.hooks(fwd_hooks=hooks):
        yield model


@contextmanager
def _a_stack(model, heads, *, at=None):
    """A context for each head, on the hook's other name, and loops over places."""

    def zero(z, hook, number):
        rows = z.unbind(2)
        new = rows[number].clone()
        if at is None:
            new *= 0
        else:
            for text, pos in zip(at[0].tolist(), at[1].tolist(), strict=True):
                new[text, pos] = 0
        return torch.stack([*rows[:number], new, *rows[number + 1 :]], dim=2)

    with ExitStack() as stack:
        for layer, number in heads:
            name = f"blocks.{layer}.attn.o.hook_in"
            stack.enter_context(
                model.hooks(fwd_hooks=[(name, lambda z, hook, n=number: zero(z, hook, n))])
            )
        yield


@contextmanager
def _own_handles(model, heads, *, at=None):
    """Hooks of its own on the hook points, taken off in `finally`."""
    handles = []
    try:
        for name, hook in _hooks(heads, at):
            handles.append(model.hook_dict[name].add_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.hook.remove()


class _AClass:
    """A context without `contextlib`."""

    def __init__(self, model, heads, *, at=None):
        self.context = model.hooks(fwd_hooks=_hooks(heads, at))

    def __enter__(self):
        return self.context.__enter__()

    def __exit__(self, *error):
        return self.context.__exit__(*error)


@contextmanager
def _every_layer(model, heads, *, at=None):
    """A hook on each layer of the model, most of which find nothing to do."""
    chosen = set(heads)

    def zero(z, hook):
        z = z.clone()
        for head in range(z.shape[2]):
            if (hook.layer(), head) in chosen:
                _index(z, head, at)
        return z

    with model.hooks(fwd_hooks=[(lambda name: name.endswith(("hook_z", "attn.o.hook_in")), zero)]):
        yield


# ---- Heads by what they copy --------------------------------------------------------------------


def _repeated(W_V, n_heads):
    return W_V.repeat_interleave(n_heads // W_V.shape[1], dim=1)


def _diagonal(W_V, W_O):
    return torch.einsum("lhdk,lhkd->lhd", W_V, W_O)


def _drive(
    *,
    shared=_repeated,
    copied=_diagonal,
    gates=lambda model, neurons: torch.stack([model.W_gate[at, :, i] for at, i in neurons]),
    ups=lambda model, neurons: torch.stack([model.W_in[at, :, i] for at, i in neurons]),
    opened=lambda gate, up: F.silu(gate) * up,
    reduce=lambda opened: opened.mean(-1),
):
    def signed_drive(model, neurons):
        d = copied(shared(model.W_V, model.W_O.shape[1]), model.W_O)
        return reduce(opened(d @ gates(model, neurons).T, d @ ups(model, neurons).T))

    return signed_drive


def _exchanged(model, neurons):
    return _drive(
        gates=lambda model, neurons: torch.stack([model.W_in[at, :, i] for at, i in neurons]),
        ups=lambda model, neurons: torch.stack([model.W_gate[at, :, i] for at, i in neurons]),
    )(model, neurons)


def _means_first(model, neurons):
    def mean_of(weights):
        return torch.stack([weights[at, :, i] for at, i in neurons]).mean(0)

    d = _diagonal(_repeated(model.W_V, model.W_O.shape[1]), model.W_O)
    return F.silu(d @ mean_of(model.W_gate)) * (d @ mean_of(model.W_in))


def _whole_circuit(model, neurons):
    gate = torch.stack([model.W_gate[at, :, i] for at, i in neurons])
    up = torch.stack([model.W_in[at, :, i] for at, i in neurons])
    W_V = _repeated(model.W_V, model.W_O.shape[1])
    return torch.einsum("nd,lhdk,lhke,ne->lhn", gate, W_V, model.W_O, up).mean(-1)


def _later_neurons(model, neurons):
    n_layers, n_heads = model.W_O.shape[:2]
    found = torch.zeros(n_layers, n_heads)
    for layer in range(n_layers):
        after = [pair for pair in neurons if pair[0] >= layer]
        if after:
            found[layer] = _drive()(model, after)[layer]
    return found


def _layer_ignored(model, neurons):
    chosen, d = (
        [i for _, i in neurons],
        _diagonal(_repeated(model.W_V, model.W_O.shape[1]), model.W_O),
    )
    return torch.stack(
        [
            (
                F.silu(d[layer] @ model.W_gate[layer][:, chosen])
                * (d[layer] @ model.W_in[layer][:, chosen])
            ).mean(-1)
            for layer in range(len(d))
        ]
    )


def _sums_of_rows(W_V, W_O):
    return (W_V @ W_O).sum(-1)


def _unit(W_V, W_O):
    return F.normalize(_diagonal(W_V, W_O), dim=-1)


def _by_loops(model, neurons):
    """One head and one neuron after another, numbers in lists."""
    n_layers, n_heads = model.W_O.shape[:2]
    group, table = n_heads // model.W_V.shape[1], []
    for layer in range(n_layers):
        row = []
        for head in range(n_heads):
            ov = model.W_V[layer, head // group] @ model.W_O[layer, head]
            d, total = torch.diag(ov).detach(), 0.0
            for at, i in neurons:
                gate, up = d.dot(model.W_gate[at][:, i]), d.dot(model.W_in[at][:, i])
                total += (gate * torch.sigmoid(gate) * up).item()
            row.append(total / len(neurons))
        table.append(row)
    return torch.tensor(table)


def _by_products(model, neurons):
    """The diagonal as a sum of products, the neurons by two lists."""
    n_kv, (layers, numbers) = model.W_V.shape[1], zip(*neurons, strict=True)
    W_O = model.W_O.unflatten(1, (n_kv, -1))  # [layer, kv, group, d_head, d_model]
    d = (model.W_V[:, :, None].transpose(-1, -2) * W_O).sum(-2).flatten(1, 2)
    gate, up = (w[list(layers), :, list(numbers)] for w in (model.W_gate, model.W_in))
    return (torch.nn.SiLU()(d @ gate.mT) * (d @ up.mT)).sum(2) / len(layers)


def _with_no_grad(model, neurons):
    with torch.no_grad():
        heads = torch.arange(model.W_O.shape[1]) * model.W_V.shape[1] // model.W_O.shape[1]
        d = (model.W_V[:, heads] @ model.W_O).diagonal(dim1=2, dim2=3)
        each = [
            F.silu(d @ model.W_gate[at][:, i]) * (d @ model.W_in[at][:, i]) for at, i in neurons
        ]
        return sum(each) / len(each)


# ---- Whose state may go where -------------------------------------------------------------------


def _allowed(
    *,
    is_hit=lambda target, result, wanted: target == result,
    is_matched=lambda target, result, wanted: target == wanted[:, None],
    both=lambda is_hit, is_matched, hit, matched: (is_hit == hit) & (is_matched == matched),
    answer=lambda allowed: allowed,
):
    def allowed_donors(target, result, wanted, *, hit, matched):
        found = both(
            is_hit(target, result, wanted), is_matched(target, result, wanted), hit, matched
        )
        return answer(found)

    return allowed_donors


def _hits_alone_are_asked(h, m, hit, matched):
    return (h == hit) & (m == matched) if hit else ((h == hit).expand_as(m))


def _either(h, m, hit, matched):
    return (m == matched).clone()


def _donors_by_loops(target, result, wanted, *, hit, matched):
    rows = []
    for number in wanted.tolist():
        row = []
        for t, r in zip(target.tolist(), result.tolist(), strict=True):
            row.append(((t == r) is hit) and ((t == number) is matched))
        rows.append(row)
    return torch.tensor(rows)


def _donors_by_branches(target, result, wanted, *, hit, matched):
    right = target.eq(result) if hit else target.ne(result)
    same = torch.eq(wanted.unsqueeze(1), target.unsqueeze(0))
    if not matched:
        same = ~same
    return torch.logical_and(same, right)


def _donors_by_numbers(target, result, wanted, *, hit, matched):
    """0 and 1, and a product."""
    is_hit = (target - result == 0).int()
    is_matched = (target[None] - wanted[:, None] == 0).int()
    score = (is_hit if hit else 1 - is_hit)[None] * (is_matched if matched else 1 - is_matched)
    return score.bool()


# ---- Reward for answers alone -------------------------------------------------------------------


def _advantage(reward):
    return (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)


def _said(logits, tokens):
    return logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]


def _counted(tokens, start):
    """Of the tokens from position 1 on, those that the model wrote."""
    return (torch.arange(1, tokens.shape[1]) >= start[:, None]) & (tokens[:, 1:] > 0)


def _loss(
    *,
    advantage=_advantage,
    flat=torch.flatten,
    said=_said,
    counted=_counted,
    mean=lambda each, where: (each * where).sum() / where.sum(),
    answer=torch.neg,
):
    """The right answer, or with another part."""

    def policy_gradient_loss(logits, tokens, start, reward):
        each = flat(advantage(reward))[:, None] * said(logits, tokens)
        return answer(mean(each, counted(tokens, start)))

    return policy_gradient_loss


def _over_spread(
    centred=lambda r: r - r.mean(1, keepdim=True), spread=lambda r: r.std(1, keepdim=True)
):
    return _loss(advantage=lambda reward: centred(reward) / (spread(reward) + 1e-4))


def _from(first, *, real=lambda tokens: tokens[:, 1:] > 0):
    """Counts tokens from another one on, or others as padding."""
    return _loss(
        counted=lambda tokens, start: (
            (torch.arange(1, tokens.shape[1]) >= first(start)[:, None]) & real(tokens)
        )
    )


def _without_log_softmax(logits, tokens):
    return logits[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]


def _at_itself(logits, tokens):
    return logits.log_softmax(-1).gather(-1, tokens[..., None])[:, 1:, 0]


def _over_positions(logits, tokens):
    return _without_log_softmax(logits.log_softmax(1), tokens)


def _over_positions_before(logits, tokens):
    return logits[:, :-1].log_softmax(1).gather(-1, tokens[:, 1:, None])[..., 0]


def _frozen_norm(logits, tokens):
    norm = logits.logsumexp(-1, keepdim=True).detach()
    return _without_log_softmax(logits - norm, tokens)


def _mask_cut_behind(tokens, start):
    at = torch.arange(tokens.shape[1])
    return ((at >= start[:, None]) & (tokens > 0))[:, :-1]


def _loss_in_place(logits, tokens, start, reward):
    reward -= reward.mean(1, keepdim=True)
    return _loss()(logits, tokens, start, reward)


def _loss_of_a_new_tensor(logits, tokens, start, reward):
    return torch.tensor(_loss()(logits, tokens, start, reward).item(), requires_grad=True)


def _loss_by_loops(logits, tokens, start, reward):
    """Token by token, plain Python for the rewards."""
    total, count, n_samples = 0.0, 0, reward.shape[1]
    for i, words in enumerate(tokens.tolist()):
        rewards = reward[i // n_samples].tolist()
        mean = sum(rewards) / n_samples
        std = (sum((each - mean) ** 2 for each in rewards) / (n_samples - 1)) ** 0.5
        for pos in range(int(start[i]), len(words)):
            if words[pos] == 0:
                break
            log_prob = torch.log_softmax(logits[i, pos - 1], dim=0)[words[pos]]
            total = total - (rewards[i % n_samples] - mean) / (std + 1e-4) * log_prob
            count += 1
    return total / count


def _loss_by_cross_entropy(logits, tokens, start, reward):
    """Tokens that do not count are ignored by `cross_entropy`."""
    targets = tokens.clone()
    targets[torch.arange(tokens.shape[1]) < start[:, None]] = 0
    surprise = F.cross_entropy(
        logits[:, :-1].transpose(1, 2), targets[:, 1:], ignore_index=0, reduction="none"
    )
    groups = surprise.sum(1).view_as(reward)
    var, mean = torch.var_mean(reward, dim=1)
    advantage = (reward - mean[:, None]).div(var.sqrt()[:, None] + 1e-4)
    return (groups * advantage).sum() / (targets[:, 1:] != 0).sum()


def _loss_by_einsum(logits, tokens, start, reward):
    """Puzzle and sample as two axes, a one-hot mask of the vocabulary."""
    n_puzzles, n_samples = reward.shape
    log_probs = torch.log(torch.softmax(logits, -1))[:, :-1]
    hot = F.one_hot(tokens, logits.shape[-1])[:, 1:].float()
    where = _counted(tokens, start).float()
    logs = torch.einsum("tpv,tpv,tp->t", log_probs, hot, where).unflatten(0, (n_puzzles, n_samples))
    advantage = torch.stack([(row - row.mean()) / (row.std() + 1e-4) for row in reward])
    return -torch.einsum("gs,gs->", advantage, logs) / where.sum()


def _loss_by_choice(logits, tokens, start, reward):
    """Chosen tokens in one row, and the mean of it."""
    text, pos = ((torch.arange(tokens.shape[1]) >= start[:, None]) & tokens.bool()).nonzero().T
    dist = torch.distributions.Categorical(logits=logits[text, pos - 1])
    return -(_advantage(reward).view(-1)[text] * dist.log_prob(tokens[text, pos])).mean()


def _handed(heads, *, gap: float = 0.0, sums: float = 1.0) -> dict:
    """What the lab would say of some heads."""
    return {"heads": heads, "gap left": gap, "sums right": sums}


MISTAKES = {
    "without_heads": [
        ("the last layer's heads", _late, "as it is when the hook *runs*"),
        ("the last head", _late_head, "as it is when the hook *runs*"),
        (
            "one head of a layer",
            _without(heads=lambda heads: list(dict(heads).items())),
            "only one head",
        ),
        (
            "the first head of a layer",
            _without(heads=lambda heads: list(dict(heads[::-1]).items())),
            "only the first head",
        ),
        (
            "the whole layer",
            _without(heads=lambda heads: [(at, i) for at, _ in heads for i in range(4)]),
            "All heads of these layers",
        ),
        (
            "each number in each layer",
            _without(heads=lambda heads: [(at, i) for at, _ in heads for _, i in heads]),
            "Every number of `heads`",
        ),
        ("only the first", _without(heads=lambda heads: heads[:1]), "Only the first head"),
        ("only the last", _without(heads=lambda heads: heads[-1:]), "Only the last head"),
        (
            "all others",
            _without(
                heads=lambda heads: [
                    (at, i) for at in range(3) for i in range(4) if (at, i) not in heads
                ]
            ),
            "*other* heads of the model",
        ),
        (
            "entries of all heads",
            _without(set_zero=lambda z, head, at: z[..., head].zero_()),
            "for those of entries",
        ),
        (
            "positions",
            _without(set_zero=lambda z, head, at: z[:, head].zero_()),
            "for those of positions",
        ),
        ("mean", _filled(lambda z, head: z[:, :, head].mean((0, 1))), "mean ablation"),
        (
            "mean over positions",
            _filled(lambda z, head: z[:, :, head].mean(1, keepdim=True)),
            "mean over positions",
        ),
        (
            "mean over texts",
            _filled(lambda z, head: z[:, :, head].mean(0, keepdim=True)),
            "mean over texts",
        ),
        ("`at` ignored", _without(at=lambda at, z: None), "`at` is ignored"),
        ("before", _at(lambda text, pos, z: (text, pos - 1)), "One position too early"),
        ("crossed", _at(lambda text, pos, z: (text[:, None], pos[None])), "*pairs*"),
        ("all texts", _at(lambda text, pos, z: (slice(None), pos)), "zeroed in all texts"),
        ("whole texts", _at(lambda text, pos, z: (text, slice(None))), "The whole texts"),
        ("exchanged", _at(lambda text, pos, z: (pos, text)), "Text and position are exchanged"),
        (
            "the place's number",
            _at(lambda text, pos, z: (torch.arange(len(pos)), pos)),
            "the place's number for its text",
        ),
        ("the first place", _at(lambda text, pos, z: (text[:1], pos[:1])), "Only the first place"),
        ("the last place", _at(lambda text, pos, z: (text[-1:], pos[-1:])), "Only the last place"),
        ("up to it", _masked(_until), "up to the place"),
        ("from it on", _masked(partial(_until, op=torch.ge)), "from the place on"),
        ("elsewhere", _masked(_others), "All *other* places"),
        ("heads and places in one index", _at_once, "in pairs"),
        ("indexed twice", _without(set_zero=_index_twice), "Indexing twice"),
        (
            "the first one's layer",
            _without(heads=lambda heads: [(heads[0][0], head) for _, head in heads]),
            "the first one's layer",
        ),
        ("all heads there", _without(set_zero=_all_heads_there), "All heads of these layers"),
        ("not returned", _without(returned=False), "Nothing has changed"),
        ("in place", _without(copied=lambda z: z), "changes `z` itself"),
        ("yields outside", _yields_too_late, "Nothing has changed"),
        ("yields for each layer", _yields_often, "more than once"),
        ("never yields", _no_yield, "never yields"),
        ("a list", _a_list, "You return the hooks"),
        ("a list, decorated", _a_list_decorated, "You return the hooks"),
        ("a context, decorated", _a_context_decorated, "yours returns a context"),
        ("no decorator", _no_decorator, "That is a generator"),
        ("hooks stay", _stays, "After the `with` your hooks are still"),
        ("hooks stay after an error", _stays_after_errors, "raises an error, your hooks stay"),
        ("takes all hooks off", _resets_all, "`model.reset_hooks()` takes all hooks off"),
        ("swallows errors", _swallows, "is lost"),
        ("no gradients from then on", _switches_gradients, "switches gradients"),
        ("one run", _first_run_alone, "second run"),
        ("the hook's name", _by_hook_name, "`hook.layer()`"),
        ("layers and heads exchanged", _layers_exchanged, "A head is (layer, number)"),
        ("not filled in", _not_filled_in, "still stands"),
        ("values", _without(name=lambda i: f"blocks.{i}.attn.hook_v"), "something else"),
        (
            "what the layer writes",
            _without(
                name=lambda i: f"blocks.{i}.hook_attn_out",
                set_zero=lambda z, head, at: z[..., head].zero_(),
            ),
            "at entries that have",
        ),
        (
            "queries",
            _without(name=lambda i: f"blocks.{i}.attn.hook_q"),
            "queries",
        ),
        ("MLPs too", _without(also=["mlp.hook_post"]), "something else"),
        ("empties `heads`", _keeps_heads_busy, "changes its input `heads`"),
        ("no hooks", lambda model, heads, *, at=None: nullcontext(), "Nothing has changed"),
    ],
    "signed_drive": [
        ("sum", _drive(reduce=lambda opened: opened.sum(-1)), "That is the sum"),
        ("gate and up exchanged", _exchanged, "Gate and up are exchanged"),
        ("no silu", _drive(opened=lambda g, u: g * u), "silu is missing"),
        ("relu", _drive(opened=lambda g, u: g.relu() * u), "That is relu"),
        ("sigmoid", _drive(opened=lambda g, u: g.sigmoid() * u), "sigmoid alone"),
        ("gelu", _drive(opened=lambda g, u: F.gelu(g) * u), "That is gelu"),
        ("silu of the product", _drive(opened=lambda g, u: F.silu(g * u)), "on the product"),
        ("silu of both", _drive(opened=lambda g, u: F.silu(g) * F.silu(u)), "on both"),
        ("no up", _drive(opened=lambda g, u: F.silu(g)), "`up . d` is missing"),
        ("up alone", _drive(opened=lambda g, u: u), "`up . d` alone"),
        ("added", _drive(opened=lambda g, u: F.silu(g) + u), "You added"),
        ("sizes", _drive(reduce=lambda opened: opened.mean(-1).abs()), "signs are lost"),
        ("sizes first", _drive(reduce=lambda opened: opened.abs().mean(-1)), "before the mean"),
        (
            "root mean square",
            _drive(reduce=lambda opened: opened.square().mean(-1).sqrt()),
            "root mean square",
        ),
        ("largest", _drive(reduce=lambda opened: opened.amax(-1)), "the largest"),
        ("each neuron", _drive(reduce=lambda opened: opened), "each neuron"),
        ("over heads too", _drive(reduce=lambda opened: opened.mean((-1, -2))), "each layer"),
        ("transposed", _drive(reduce=lambda opened: opened.mean(-1).T), "exchanged"),
        ("means first", _means_first, "the mean comes last"),
        ("the whole circuit", _whole_circuit, "only its diagonal"),
        ("sums of rows", _drive(copied=_sums_of_rows), "sums of the circuit's rows"),
        (
            "sums of columns",
            _drive(copied=lambda W_V, W_O: (W_V @ W_O).sum(-2)),
            "sums of the circuit's columns",
        ),
        ("length 1", _drive(copied=_unit), "made length 1"),
        (
            "sizes of the diagonal",
            _drive(copied=lambda v, o: _diagonal(v, o).abs()),
            "diagonal are",
        ),
        (
            "tiled",
            _drive(shared=lambda W_V, n: W_V.repeat(1, n // W_V.shape[1], 1, 1)),
            "wrong heads",
        ),
        (
            "the first values",
            _drive(shared=lambda W_V, n: W_V[:, :1].expand(-1, n, -1, -1)),
            "first",
        ),
        ("not shared", _drive(shared=lambda W_V, n: W_V), "share the values"),
        ("later neurons", _later_neurons, "all of `neurons`"),
        ("the layer ignored", _layer_ignored, "layer is ignored"),
        (
            "rows for columns",
            _drive(gates=lambda m, n: torch.stack([m.W_gate[at, i] for at, i in n])),
            "raised",
        ),
        (
            "the other order",
            _drive(copied=lambda W_V, W_O: (W_O @ W_V).diagonal(dim1=-2, dim2=-1)),
            "raised",
        ),
        ("a list", lambda m, n: _drive()(m, n).tolist(), "a list"),
    ],
    "allowed_donors": [
        ("transposed", _allowed(answer=lambda a: a.T), "exchanged"),
        ("by the result", _allowed(is_matched=lambda t, r, w: r == w[:, None]), "donor's *target*"),
        (
            "a hit of the position",
            _allowed(is_hit=lambda t, r, w: r == w[:, None]),
            "its own result",
        ),
        ("hit ignored", _allowed(both=_either), "`hit` is ignored"),
        (
            "matched ignored",
            _allowed(both=lambda h, m, hit, matched: (h == hit).expand_as(m)),
            "`matched` is ignored",
        ),
        ("both ignored", _allowed(both=lambda h, m, hit, matched: h & m), "Both are ignored"),
        ("misses", _allowed(is_hit=lambda t, r, w: t != r), "Hits are taken for misses"),
        (
            "not matched",
            _allowed(is_matched=lambda t, r, w: t != w[:, None]),
            "Matched donors are taken for others",
        ),
        (
            "one of the two",
            _allowed(both=lambda h, m, hit, matched: (h == hit) | (m == matched)),
            "needs *both*",
        ),
        (
            "by either number",
            _allowed(is_matched=lambda t, r, w: (t == w[:, None]) | (r == w[:, None])),
            "by its target alone",
        ),
        ("the opposite", _allowed(answer=lambda a: ~a), "the opposite"),
        ("for hits alone", _allowed(both=_hits_alone_are_asked), "Only hits are asked"),
        (
            "no `matched`, no question",
            _allowed(
                both=lambda h, m, hit, matched: (h == hit) & (m if matched else torch.ones_like(m))
            ),
            "With `matched=False` nothing",
        ),
        (
            "no `hit`, no question",
            _allowed(
                both=lambda h, m, hit, matched: (h if hit else torch.ones_like(h)) & (m == matched)
            ),
            "With `hit=False` nothing",
        ),
        (
            "and for equal",
            _allowed(both=lambda h, m, hit, matched: (h & hit) & (m & matched)),
            "and `matched` likewise",
        ),
        (
            "and for equal, of hits",
            _allowed(both=lambda h, m, hit, matched: (h & hit) & (m == matched)),
            "compare, `x == hit`",
        ),
        (
            "not compared with each",
            _allowed(is_matched=lambda t, r, w: t == w),
            "with each position",
        ),
        (
            "wanted anywhere",
            _allowed(is_matched=lambda t, r, w: torch.isin(t, w).expand(len(w), -1)),
            "*anywhere*",
        ),
        ("for any position", _allowed(answer=lambda a: a.any(0)), "one row for all"),
        ("any donor", _allowed(answer=lambda a: a.any(1)), "one answer for each position"),
        ("numbers", _allowed(answer=lambda a: a.nonzero()), "numbers of positions"),
        ("0 and 1", _allowed(answer=lambda a: a.int()), "of type torch.int32"),
        ("a float", _allowed(answer=lambda a: a.float()), "of type torch.float32"),
        ("lists", _allowed(answer=lambda a: a.tolist()), "Return one tensor"),
        ("squeezed", _allowed(answer=lambda a: a.squeeze()), "The axis of positions is lost"),
        ("always", _allowed(answer=torch.ones_like), "Every donor may"),
        (
            "names exchanged",
            _allowed(both=lambda h, m, hit, matched: (h == matched) & (m == hit)),
            "`hit` and `matched` are exchanged",
        ),
        (
            "misses never match",
            _allowed(both=lambda h, m, hit, matched: (h == hit) & ((h & m) == matched)),
            "Misses are never matched",
        ),
        ("in place", lambda t, r, w, *, hit, matched: t.sub_(r) == 0, "changes its input"),
    ],
    "disabled": [
        ("heads alone", [(1, 3), (1, 5), (1, 4)], "lab.hand_in"),
        ("four heads", _handed([(1, head) for head in (1, 3, 4, 5)]), "at most three"),
        ("no heads", _handed([], gap=1.0), "No head is out"),
        ("no sums", _handed([(0, 4)], sums=0.0), "cannot add"),
        ("one of a group", _handed([(1, 3)], gap=0.9), "stand in"),
        ("turned round", _handed([(1, 3)], gap=-0.5), "of the gap"),
        ("a sum above 1", _handed([(1, 3)], sums=1.2), "`sums right` cannot be 1.2"),
        ("a sum below 0", _handed([(1, 3)], sums=-0.1), "`sums right` cannot be -0.1"),
        ("a gap of -5", _handed([(1, 3)], gap=-5), "`gap left` cannot be -5"),
        ("a gap of NaN", _handed([(1, 3)], gap=float("nan")), "`gap left` cannot be nan"),
        ("words for numbers", _handed([(1, 3)], gap="none"), "`gap left` cannot be none"),
        ("a tensor of sums", _handed([(1, 3)], sums=torch.ones(3)), "`sums right` cannot be"),
        ("one head, no list", _handed((1, 3)), "a list of pairs"),
        ("triples", _handed([(1, 3, 5)]), "a list of pairs"),
        ("a head of 1.5", _handed([(1, 1.5)]), "a list of pairs"),
        ("names", _handed(["L1H3", "L1H5"]), "a list of pairs"),
        ("a number of heads", _handed(3), "a list of pairs"),
        ("a tensor", _handed(torch.tensor([[1, 3]])), "a list of pairs"),
        ("a gap above 1", _handed([(0, 1)], gap=1.04), "others stand in"),
        ("an ablation", {"gap left": 0.0, "sums right": 1.0, "ablations left": 3}, "lab.hand_in"),
    ],
    "policy_gradient_loss": [
        ("the sign", _loss(answer=lambda loss: loss), "The sign"),
        ("no baseline", _over_spread(centred=lambda r: r), "The baseline is missing"),
        ("the bare reward", _loss(advantage=lambda r: r), "The baseline is missing"),
        ("all texts", _over_spread(lambda r: r - r.mean(), torch.std), "those of all texts"),
        ("a baseline of all texts", _over_spread(lambda r: r - r.mean()), "All texts share"),
        ("no spread, all texts", _loss(advantage=lambda r: r - r.mean()), "All texts share"),
        ("the spread of all texts", _over_spread(spread=torch.std), "deviation is that of all"),
        (
            "over puzzles",
            _over_spread(lambda r: r - r.mean(0), lambda r: r.std(0)),
            "taken over puzzles",
        ),
        (
            "no spread",
            _loss(advantage=lambda r: r - r.mean(1, keepdim=True)),
            "is not divided",
        ),
        (
            "the spread of numpy",
            _over_spread(spread=lambda r: r.std(1, keepdim=True, correction=0)),
            "`correction=0`",
        ),
        ("the variance", _over_spread(spread=lambda r: r.var(1, keepdim=True)), "by the variance"),
        (
            "no 1e-4",
            _over_spread(spread=lambda r: r.std(1, keepdim=True) - 1e-4),
            "without its 1e-4",
        ),
        (
            "1e-8",
            _over_spread(spread=lambda r: r.std(1, keepdim=True) + 1e-8 - 1e-4),
            "without its 1e-4",
        ),
        (
            "at least 1e-4",
            _over_spread(spread=lambda r: r.std(1, keepdim=True).clamp(min=1e-4) - 1e-4),
            "without its 1e-4",
        ),
        (
            "1e-4 under the root",
            _over_spread(spread=lambda r: (r.var(1, keepdim=True) + 1e-4).sqrt() - 1e-4),
            "not under its root",
        ),
        ("no reward", _loss(advantage=torch.ones_like), "The rewards play no part"),
        ("sample by sample", _loss(flat=lambda a: a.T.flatten()), "went to other texts"),
        (
            "no flattening",
            lambda logits, tokens, start, reward: (
                -(_advantage(reward) * _said(logits, tokens)).mean()
            ),
            "keepdim",
        ),
        ("no `keepdim`", _over_spread(spread=lambda r: r.std(1)), "keepdim"),
        ("probabilities", _loss(said=lambda *given: _said(*given).exp()), "probabilities"),
        ("log2", _loss(said=lambda *given: _said(*given) / torch.tensor(2).log()), "base 2"),
        ("logits", _loss(said=_without_log_softmax), "logits themselves"),
        ("over positions", _loss(said=_over_positions), "over positions"),
        (
            "over positions but the last",
            _loss(said=_over_positions_before),
            "over positions",
        ),
        ("at p for p", _loss(said=_at_itself), "matched with another"),
        (
            "at p for p, without the last",
            _loss(
                said=lambda logits, tokens: _at_itself(logits, tokens)[:, :-1],
                counted=lambda tokens, start: _counted(tokens, start)[:, :-1],
            ),
            "matched with another",
        ),
        ("the last of the header", _from(lambda start: start - 1), "One token too early"),
        ("not the first", _from(lambda start: start + 1), "One token too late"),
        ("the header", _from(torch.zeros_like), "The header counts"),
        ("padding", _from(lambda start: start, real=lambda t: t[:, 1:] >= 0), "Padding counts"),
        ("all", _from(torch.zeros_like, real=lambda t: t[:, 1:] >= 0), "Header and padding"),
        (
            "one of padding",
            _from(lambda start: start, real=lambda t: t[:, :-1] > 0),
            "The first padding",
        ),
        ("a mask of inputs", _loss(counted=_mask_cut_behind), "your mask is"),
        ("one start", _from(lambda start: start[:1].expand_as(start)), "the first one's start"),
        ("the sum", _loss(mean=lambda each, where: (each * where).sum()), "That is the sum"),
        (
            "texts first",
            _loss(mean=lambda each, where: ((each * where).sum(1) / where.sum(1)).mean()),
            "the mean of each text",
        ),
        (
            "by texts",
            _loss(mean=lambda each, where: (each * where).sum(1).mean()),
            "the number of texts",
        ),
        ("by positions", _loss(mean=lambda each, where: (each * where).mean()), "all positions"),
        (
            "for each text",
            _loss(mean=lambda each, where: (each * where).sum(1) / where.sum(1)),
            "should have shape ()",
        ),
        ("a float", _loss(answer=lambda loss: -loss.item()), "has no gradient"),
        ("detached", _loss(answer=lambda loss: -loss.detach()), "has no gradient"),
        ("a new tensor", _loss_of_a_new_tensor, "has no gradient"),
        ("a norm without gradient", _loss(said=_frozen_norm), "its gradient is not"),
        ("in place", _loss_in_place, "changes its input `reward`"),
    ],
}

RIGHT = {
    "without_heads": [
        ("other names", _without()),
        ("no decorator, a context", _returns_a_context),
        ("a mask, einsum", _a_mask),
        ("an exit stack, loops", _a_stack),
        ("hook points, finally", _own_handles),
        ("a class", _AClass),
        ("a hook on every layer", _every_layer),
    ],
    "signed_drive": [
        ("einsum", _drive()),
        ("loops, lists", _by_loops),
        ("unflattened", _by_products),
        ("no grad, indices", _with_no_grad),
    ],
    "allowed_donors": [
        ("other names", _allowed()),
        ("loops, lists", _donors_by_loops),
        ("branches", _donors_by_branches),
        ("0 and 1", _donors_by_numbers),
    ],
    "disabled": [
        ("two heads, with what they leave", _handed([(1, 3), (1, 5)], gap=0.1, sums=0.95)),
        ("one head twice", _handed([(1, 3), (1, 5), (1, 4), (1, 3)])),
        ("lists, a gap below 0", _handed([[1, 3], [1, 4]], gap=-0.01)),
        ("in a tuple", _handed(((1, 3), (1, 4), (1, 5)))),
        ("more is said", {**_handed([(1, 3)]), "why": "attention"}),
    ],
    "policy_gradient_loss": [
        ("parts", _loss()),
        ("loops", _loss_by_loops),
        ("cross-entropy", _loss_by_cross_entropy),
        ("einsum, one-hot", _loss_by_einsum),
        ("chosen, a distribution", _loss_by_choice),
    ],
}
