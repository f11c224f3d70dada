"""Lesson 4.2: the library's version of each exercise, and plausible wrong answers."""

import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from utils.features import planted

# ---- TopK ---------------------------------------------------------------------------------------


def _top_k(
    *,
    centre=lambda x, b: x - b,
    bias=True,
    cut=None,
    decode=lambda acts, pre, W_dec, W_enc, b: acts @ W_dec + b,
    returned=lambda acts, out: (acts, out),
):
    def top_k_sae(x, W_enc, b_enc, W_dec, b_dec, *, k):
        pre = centre(x, b_dec) @ W_enc + (b_enc if bias else 0)
        acts = (cut or _kept)(pre, k)
        return returned(acts, decode(acts, pre, W_dec, W_enc, b_dec))

    return top_k_sae


def _kept(pre, k, *, dim=-1, score=lambda p: p, relu=True):
    at = score(pre).topk(k, dim=dim).indices
    values = pre.gather(dim, at)
    return torch.zeros_like(pre).scatter(dim, at, values.relu() if relu else values)


def _row_by_row(x, W_enc, b_enc, W_dec, b_dec, *, k):
    """Loops, and a threshold instead of places."""
    acts = []
    for row in x:
        pre = F.linear(row - b_dec, W_enc.T, b_enc)
        least = pre.sort(descending=True).values[k - 1]
        acts.append(torch.where(pre >= least, pre, 0.0).clamp(min=0))
    acts = torch.stack(acts)
    return [acts, torch.einsum("nl,ld->nd", acts, W_dec) + b_dec]


def _masked(x, W_enc, b_enc, W_dec, b_dec, *, k):
    pre = torch.relu((x - b_dec) @ W_enc + b_enc)
    mask = torch.zeros_like(pre).scatter_(-1, pre.topk(k).indices, 1.0)
    return pre * mask, (pre * mask) @ W_dec + b_dec


def _in_place(x, W_enc, b_enc, W_dec, b_dec, *, k):
    x -= b_dec
    return planted.top_k_sae(x, W_enc, b_enc, W_dec, 0 * b_dec, k=k)


# ---- The training loop --------------------------------------------------------------------------


def _fit(
    *,
    make=lambda sae, lr: torch.optim.Adam(sae.parameters(), lr=lr),
    rate=lambda t, T: min(1, 2 * (1 - t / T)),
    clear=True,
    norm=lambda W: W.norm(dim=1, keepdim=True),
    batch=lambda t: t,
    anew=False,
    update=True,
    after=True,
    returned=lambda losses: losses,
    late=False,
):
    def fit(sae, vectors, *, steps, lr=1e-2):
        adam, losses = make(sae, lr), []
        for t in range(steps):
            adam = make(sae, lr) if anew else adam
            for group in adam.param_groups:
                group["lr"] = lr * rate(t, steps)
            x = vectors(batch(t))
            if norm and not after:
                with torch.no_grad():
                    sae.W_dec /= norm(sae.W_dec)
            loss = sae.loss(x)[0]
            if clear:
                adam.zero_grad()
            if update:
                loss.backward()
                adam.step()
            if norm and after:
                with torch.no_grad():
                    sae.W_dec /= norm(sae.W_dec)
            losses.append((sae.loss(x)[0] if late else loss).item())
        return returned(losses)

    return fit


def _by_scheduler(sae, vectors, *, steps, lr=1e-2):
    """A scheduler, `.data`, and a tensor of losses."""
    adam = torch.optim.Adam([p for _, p in sae.named_parameters()], lr=lr)
    falls = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda t: 1.0 if t < steps / 2 else 2 - 2 * t / steps
    )
    losses = torch.zeros(steps)
    for t in range(steps):
        adam.zero_grad()
        loss, fired = sae.loss(vectors(t))
        loss.backward()
        adam.step()
        falls.step()
        sae.W_dec.data = F.normalize(sae.W_dec.data, dim=-1)
        losses[t] = loss.detach()
    return losses


def _asks_twice(sae, vectors, *, steps, lr=1e-2):
    vectors(0)
    return planted.fit(sae, vectors, steps=steps, lr=lr)


# ---- Twins --------------------------------------------------------------------------------------


def _matched(cosine, above, cost):
    rows, columns = linear_sum_assignment(cost.numpy())
    found = torch.zeros(len(cosine), dtype=torch.bool)
    found[rows] = cosine[rows, columns] > above
    return found


def _twins(*, cosine=lambda a, b: F.normalize(a) @ F.normalize(b).T, cost=lambda c: -c, fixed=None):
    def twins(a, b, *, above=0.9):
        found = cosine(a, b)
        return _matched(found, fixed or above, cost(found))

    return twins


def _nearest(a, b, *, above=0.9):
    return (F.normalize(a) @ F.normalize(b).T).max(1).values > above


def _mutual(a, b, *, above=0.9):
    cosine = F.normalize(a) @ F.normalize(b).T
    value, at = cosine.max(1)
    return (value > above) & (cosine.max(0).indices[at] == torch.arange(len(a)))


def _one_by_one(a, b, *, above=0.9):
    cosine = F.normalize(a) @ F.normalize(b).T
    found = torch.zeros(len(a), dtype=torch.bool)
    for i in range(min(len(a), len(b))):
        value, j = cosine[i].max(0)
        found[i] = value > above
        cosine[:, j] = -2
    return found


def _by_loop(a, b, *, above=0.9):
    """Pairs in a loop; scipy told to maximise; cosines by the library's function."""
    cosine = F.cosine_similarity(a[:, None], b[None], dim=-1)
    pairs = dict(zip(*linear_sum_assignment(cosine.numpy(), maximize=True), strict=True))
    return torch.tensor([i in pairs and bool(cosine[i, pairs[i]] > above) for i in range(len(a))])


# ---- Splice -------------------------------------------------------------------------------------


def _splice(
    *,
    bos=True,
    start=1,
    hook="hook_resid_pre",
    returns=True,
    per_text=lambda logits, tokens: F.cross_entropy(logits[:-1], tokens[1:]),
    over=torch.stack,
    batched=False,
    change=lambda old, new: new,
    leave=False,
    narrow=False,
):
    def spliced_loss(model, rows, stand_in, *, layer):
        def splice(resid, hook):
            part = resid[:, start:] if batched else resid[0, start:]
            new = change(part, stand_in(part))
            out = torch.cat([resid[:, :start], new if batched else new[None]], 1)
            return out if returns else None

        losses, name = [], f"blocks.{layer}.{hook}"
        with torch.no_grad():
            for row in rows:
                first = torch.tensor(
                    [model.tokenizer.bos_token_id] if bos else [], dtype=torch.long
                )
                tokens = (
                    torch.cat([first.to(row.dtype), row]) if narrow else torch.cat([first, row])
                )
                if leave:
                    model.add_hook(name, splice)
                    logits = model(tokens[None])
                else:
                    logits = model.run_with_hooks(tokens[None], fwd_hooks=[(name, splice)])
                losses.append(per_text(logits[0], tokens))
        return over(losses)

    return spliced_loss


def _into_a_copy(model, rows, stand_in, *, layer):
    """Writes into a clone; log probabilities by hand."""
    losses = []
    for row in rows:
        tokens = F.pad(row.long(), (1, 0), value=model.tokenizer.bos_token_id)[None]

        def splice(resid, hook):
            out = resid.clone()
            out[0, 1:] = stand_in(resid[0, 1:])
            return out

        with torch.no_grad(), model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", splice)]):
            log_probs = model(tokens).log_softmax(-1)[0, :-1]
        losses.append(-log_probs.gather(1, tokens[0, 1:, None]).mean())
    return torch.stack(losses)


def _signed_twice(a, b, *, above=0.9):
    """Pairs by the signed cosine, and then takes its size."""
    cosine = F.normalize(a) @ F.normalize(b).T
    rows, columns = linear_sum_assignment(-cosine.numpy())
    found = torch.zeros(len(a), dtype=torch.bool)
    found[rows] = cosine[rows, columns].abs() > above
    return found


def _normed_at_the_end(sae, vectors, *, steps, lr=1e-2):
    losses = _fit(norm=None)(sae, vectors, steps=steps, lr=lr)
    with torch.no_grad():
        sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
    return losses


def _keeps_tensors(sae, vectors, *, steps, lr=1e-2):
    kept = []
    inner = sae.loss

    def loss(x):
        found = inner(x)
        kept.append(found[0])
        return found

    class Watched:
        W_dec = sae.W_dec

        def parameters(self):
            return sae.parameters()

    watched = Watched()
    watched.loss = loss
    _fit()(watched, vectors, steps=steps, lr=lr)
    return kept


# ---- A step with a slope ------------------------------------------------------------------------


def _step(
    *,
    forward=lambda pre, threshold: (pre > threshold).to(pre),
    slope=lambda pre, threshold, grad, width: (
        -(grad * ((pre - threshold).abs() < width / 2) / width).sum(0)
    ),
    to_pre=lambda grad: None,
):
    def step(pre, threshold, *, bandwidth):
        class Step(torch.autograd.Function):
            @staticmethod
            def forward(ctx, pre, threshold):
                ctx.save_for_backward(pre, threshold)
                return forward(pre, threshold)

            @staticmethod
            def backward(ctx, grad):
                return to_pre(grad), slope(*ctx.saved_tensors, grad, bandwidth)

        return Step.apply(pre, threshold)

    return step


def _near(pre, threshold, width):
    return ((pre - threshold).abs() < width / 2).float()


def _ramp(pre, threshold, *, bandwidth):
    """The value of a step, with the slope of a ramp, and no class."""
    ramp = ((pre.detach() - threshold) / bandwidth + 0.5).clamp(0, 1)
    return ramp + ((pre > threshold).float() - ramp).detach()


def _window(pre, threshold, *, bandwidth):
    """A product with a constant window."""
    near = _near(pre, threshold, bandwidth).detach()
    slope = -near * threshold / bandwidth
    return (pre > threshold).float() + slope - slope.detach()


def _surrogate(pre, threshold, *, bandwidth):
    """The gradient handed over by a hook, and no class."""
    near = _near(pre, threshold, bandwidth).detach()
    moved = (-threshold).expand_as(pre) * 1.0
    moved.register_hook(lambda grad: grad * near / bandwidth)
    return (pre > threshold).float() + moved - moved.detach()


# ---- Matryoshka ---------------------------------------------------------------------------------


def _nested(
    *,
    chosen=lambda ms, i: slice(ms[i]),
    bias=1.0,
    inner=torch.sum,
    combine=lambda each: each.mean(),
    detach=False,
):
    def matryoshka_loss(x, acts, W_dec, b_dec, *, prefixes):
        each = []
        for i in range(len(prefixes)):
            at = chosen(prefixes, i)
            part = acts[:, at].detach() if detach and i else acts[:, at]
            out = part @ W_dec[at] + bias * b_dec
            each.append(inner((out - x).square(), -1).mean())
        return combine(torch.stack(each))

    return matryoshka_loss


def _by_mask(x, acts, W_dec, b_dec, *, prefixes):
    """All prefixes at once, by masks."""
    mask = torch.arange(acts.shape[1]) < torch.as_tensor(list(prefixes))[:, None]
    out = torch.einsum("pl,nl,ld->pnd", mask.float(), acts, W_dec) + b_dec
    return (out - x).pow(2).sum(-1).mean()


def _running(x, acts, W_dec, b_dec, *, prefixes):
    """Adds latents from prefix to prefix."""
    out, start, total = b_dec.expand_as(x), 0, 0.0
    for m in prefixes:
        out = out + acts[:, start:m] @ W_dec[start:m]
        total = total + ((x - out) ** 2).sum(1).mean() / len(prefixes)
        start = m
    return total


MISTAKES = {
    "top_k_sae": [
        ("uncentred", _top_k(centre=lambda x, b: x), "not subtracted"),
        ("added", _top_k(centre=lambda x, b: x + b), "was added to `x`"),
        ("no bias", _top_k(bias=False), "`b_enc` is missing"),
        ("negative", _top_k(cut=lambda p, k: _kept(p, k, relu=False)), "negative activations"),
        ("sizes", _top_k(cut=lambda p, k: _kept(p, k, score=torch.abs)), "in *size*"),
        ("over vectors", _top_k(cut=lambda p, k: _kept(p, k, dim=0)), "over the vectors"),
        ("relu", _top_k(cut=lambda p, k: p.relu()), "ReLU SAE"),
        ("no b_dec", _top_k(decode=lambda a, p, W, E, b: a @ W), "not added back"),
        ("all decoded", _top_k(decode=lambda a, p, W, E, b: p @ W + b), "all pre-activations"),
        ("transposed", _top_k(decode=lambda a, p, W, E, b: a @ E.T + b), "encoder's transpose"),
        ("out first", _top_k(returned=lambda a, out: (out, a)), "activations come first"),
        ("one thing", _top_k(returned=lambda a, out: out), "two things"),
        ("detached", _top_k(returned=lambda a, out: (a.detach(), out.detach())), "gradient"),
        ("in place", _in_place, "input `x`"),
    ],
    "fit": [
        ("adds up", _fit(clear=False), "add up"),
        ("constant rate", _fit(rate=lambda t, T: 1.0), "stays the same"),
        ("falls at once", _fit(rate=lambda t, T: 1 - t / T), "from the first step"),
        ("one ahead", _fit(rate=lambda t, T: min(1, 2 * (1 - (t + 1) / T))), "one step ahead"),
        ("twice", _fit(rate=lambda t, T: 2 * (1 - t / T)), "twice `lr`"),
        ("free", _fit(norm=None), "are free"),
        ("columns", _fit(norm=lambda W: W.norm(dim=0, keepdim=True)), "columns"),
        ("one norm", _fit(norm=lambda W: W.norm()), "one length"),
        ("normed before", _fit(after=False), "before the step"),
        ("normed at the end", _normed_at_the_end, "only at the end"),
        ("squared norm", _fit(norm=lambda W: W.square().sum(1, keepdim=True)), "squared length"),
        (
            "its own rate",
            lambda sae, vectors, *, steps, lr=1e-2: _fit()(sae, vectors, steps=steps, lr=1e-2),
            "`lr` is not used",
        ),
        ("tensors", _keeps_tensors, "loss.item()"),
        ("anew", _fit(anew=True), "anew"),
        ("SGD", _fit(make=lambda sae, lr: torch.optim.SGD(sae.parameters(), lr=lr)), "use Adam"),
        ("one batch", _fit(batch=lambda t: 0), "once, in order"),
        ("no update", _fit(update=False, norm=None), "as they were"),
        ("one loss", _fit(returned=lambda losses: losses[-1:]), "a loss for each"),
        ("None", _fit(returned=lambda losses: None), "Return the losses"),
        ("late", _fit(late=True), "after its step"),
        ("asks twice", _asks_twice, "once, in order"),
    ],
    "twins": [
        ("nearest", _nearest, "one to one"),
        ("mutual", _mutual, "largest *sum*"),
        ("greedy", _one_by_one, "one after the other"),
        (
            "absolute",
            _twins(cosine=lambda a, b: (F.normalize(a) @ F.normalize(b).T).abs()),
            "opposite",
        ),
        ("smallest", _twins(cost=lambda c: c), "*smallest* sum"),
        ("no normalising", _twins(cosine=lambda a, b: a @ b.T), "length 1"),
        ("size of signed pairs", _signed_twice, "opposite"),
        ("fixed", _twins(fixed=0.9), "not used"),
        ("exchanged", lambda a, b, *, above=0.9: planted.twins(b, a, above=above), "which of `b`"),
        ("floats", lambda a, b, *, above=0.9: planted.twins(a, b, above=above).float(), "bools"),
    ],
    "spliced_loss": [
        ("BOS replaced", _splice(start=0), "BOS was replaced"),
        ("no BOS", _splice(bos=False, start=0), "BOS is missing"),
        ("returns nothing", _splice(returns=False), "untouched"),
        ("after the block", _splice(hook="hook_resid_post"), "*after* the block"),
        ("unshifted", _splice(per_text=lambda lo, to: F.cross_entropy(lo, to)), "the next one"),
        (
            "summed",
            _splice(per_text=lambda lo, to: F.cross_entropy(lo[:-1], to[1:], reduction="sum")),
            "summed over",
        ),
        ("one number", _splice(over=lambda losses: torch.stack(losses).mean()), "one number"),
        ("added", _splice(change=lambda old, new: old + new), "*added*"),
        ("batched", _splice(batched=True), "batch axis"),
        ("left on", _splice(leave=True), "hook"),
        ("int32", _splice(narrow=True), "int32"),
        ("a list", _splice(over=lambda losses: losses), "Return a tensor"),
    ],
    "step": [
        (
            "comparison",
            lambda pre, threshold, *, bandwidth: (pre > threshold).float(),
            "no gradient",
        ),
        (
            "sigmoid",
            lambda pre, threshold, *, bandwidth: torch.sigmoid((pre - threshold) / bandwidth),
            "The result",
        ),
        ("keeps values", _step(forward=lambda p, t: p * (p > t)), "1 or 0"),
        ("at the threshold too", _step(forward=lambda p, t: (p >= t).to(p)), "exactly"),
        ("at zero", _step(forward=lambda p, t: (p > 0).to(p)), "step is at 0"),
        ("sign", _step(slope=lambda p, t, g, w: (g * _near(p, t, w) / w).sum(0)), "sign"),
        ("wide", _step(slope=lambda p, t, g, w: -(g * _near(p, t, 2 * w) / w).sum(0)), "too wide"),
        ("no bandwidth", _step(slope=lambda p, t, g, w: -(g * _near(p, t, w)).sum(0)), "bandwidth"),
        ("no grad in", _step(slope=lambda p, t, g, w: -(_near(p, t, w) / w).sum(0)), "comes in"),
        ("mean", _step(slope=lambda p, t, g, w: -(g * _near(p, t, w) / w).mean(0)), "averaged"),
        ("factor", _step(slope=lambda p, t, g, w: -(g * p * _near(p, t, w) / w).sum(0)), "factor"),
        ("everywhere", _step(slope=lambda p, t, g, w: -(g / w).sum(0)), "however far"),
        ("through pre", _step(to_pre=lambda g: g), "no gradient from the step"),
    ],
    "matryoshka_loss": [
        ("sum", _nested(combine=lambda each: each.sum()), "added up"),
        (
            "groups",
            _nested(chosen=lambda ms, i: slice(ms[i - 1] if i else 0, ms[i])),
            "separate groups",
        ),
        ("no b_dec", _nested(bias=0.0), "`b_dec` is missing"),
        ("last", _nested(combine=lambda each: each[-1]), "last prefix"),
        ("first", _nested(combine=lambda each: each[0]), "first prefix"),
        ("each", _nested(combine=lambda each: each), "one error for each"),
        ("means", _nested(inner=torch.mean), "over dimensions"),
        ("one too many", _nested(chosen=lambda ms, i: slice(ms[i] + 1)), "one too many"),
        ("detached", _nested(combine=lambda each: each.mean().detach()), "gradient"),
        ("parts detached", _nested(detach=True), "detached"),
    ],
    "finders": [
        ("PCA", {"R", "U"}, "*any* two sets"),
        ("same start", {"P", "T"}, "where they started"),
        ("one of each pair", {"P", "Q"}, "do they agree with *each other*"),
        ("the best FVU, and a start", {"T", "S"}, "do they agree with *each other*"),
        ("half of PCA", {"R", "Q"}, "no random start"),
        ("shuffled", {"Q", "V"}, "no other dictionary"),
        ("three", {"Q", "S", "V"}, "two dictionaries"),
        ("one of two", {"Q"}, "two dictionaries"),
        ("empty", set(), "two dictionaries"),
        ("other letters", {"A", "Q"}, "P to V"),
    ],
}

RIGHT = {
    "top_k_sae": [("gather", _top_k()), ("loops", _row_by_row), ("a mask", _masked)],
    "fit": [("max and min", _fit()), ("a scheduler", _by_scheduler)],
    "twins": [("a cost", _twins()), ("a loop", _by_loop)],
    "spliced_loss": [("run_with_hooks", _splice()), ("a copy", _into_a_copy)],
    "step": [
        ("another class", _step()),
        ("a ramp", _ramp),
        ("a product", _window),
        ("a hook", _surrogate),
    ],
    "matryoshka_loss": [
        ("a stack", _nested()),
        ("masks", _by_mask),
        ("a running sum", _running),
    ],
    "finders": [("a list", ["S", "Q"]), ("small letters", ("q", "s")), ("text", "Q, S")],
}
