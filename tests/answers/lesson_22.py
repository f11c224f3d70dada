"""Lesson 2.2: the library's version of each exercise, and plausible wrong answers."""

import torch

# ---- CCS ----------------------------------------------------------------------------------------


def _own(first, second):
    return tuple((half - half.mean(0)) / half.std(0) for half in (first, second))


def _jointly(first, second):
    both = torch.cat([first, second])
    return tuple((half - both.mean(0)) / both.std(0) for half in (first, second))


def _loss(p, q):
    return ((p - (1 - q)) ** 2 + torch.minimum(p, q) ** 2).mean()


def _ccs(
    *,
    normal=lambda f, s: (f, s),
    loss=_loss,
    optimizer=torch.optim.Adam,
    clear=True,
    with_bias=True,
    late=True,
    anew=False,
    bias_at=0.0,
    steps_of=lambda steps: steps,
    more=0,
    rate=lambda lr: lr,
    copied=lambda start: start.clone(),
    belief=lambda p, q: (p + 1 - q) / 2,
    value=lambda p, q, last: _loss(p, q).item(),
    answer=lambda belief, value: (belief, value),
):
    def ccs(first, second, *, start, steps=250, lr=0.01):
        a, b = normal(first, second)
        w, bias = copied(start).requires_grad_(), torch.full((1,), bias_at).requires_grad_()
        opt = optimizer([w, bias] if with_bias else [w], lr=rate(lr))
        for _ in range(steps_of(steps) + more):
            opt = optimizer([w, bias], lr=rate(lr)) if anew else opt
            p, q = torch.sigmoid(a @ w + bias), torch.sigmoid(b @ w + bias)
            last = loss(p, q)
            if clear:
                opt.zero_grad()
            last.backward()
            opt.step()
        if late:
            with torch.no_grad():
                p, q = torch.sigmoid(a @ w + bias), torch.sigmoid(b @ w + bias)
        p, q = p.detach(), q.detach()
        return answer(belief(p, q), value(p, q, last.item()))

    return ccs


def _ccs_by_module(first, second, *, start, steps=250, lr=0.01):
    """One linear layer, both halves in one batch."""
    x = torch.cat([first, second])
    probe = torch.nn.Linear(x.shape[1], 1)
    with torch.no_grad():
        probe.weight.copy_(start[None])
        probe.bias.zero_()
    opt = torch.optim.Adam(probe.parameters(), lr=lr)

    def forward():
        p, q = probe(x)[:, 0].sigmoid().chunk(2)
        return p, q, (p + q - 1).pow(2).mean() + torch.where(p < q, p, q).pow(2).mean()

    for _ in range(steps):
        opt.zero_grad()
        forward()[2].backward()
        opt.step()
    p, q, loss = (each.detach() for each in forward())
    return [0.5 * p + 0.5 * (1 - q), float(loss)]


def _ccs_untouched(first, second, *, start, steps=250, lr=0.01):
    """Forgets `backward`."""
    p, q = torch.sigmoid(first @ start), torch.sigmoid(second @ start)
    return (p + 1 - q) / 2, _loss(p, q).item()


def _with_gradient(first, second, *, start, steps=250, lr=0.01):
    belief, loss = _ccs()(first, second, start=start, steps=steps, lr=lr)
    return belief.requires_grad_(), loss


def _loss_with_graph(first, second, *, start, steps=250, lr=0.01):
    belief, loss = _ccs()(first, second, start=start, steps=steps, lr=lr)
    return belief, torch.tensor(loss, requires_grad=True) * 1.0


# ---- Any labels ---------------------------------------------------------------------------------


def _labelling(
    *,
    target=lambda labels, size: size * (2.0 * labels - 1),
    second=lambda target: -target,
    solve=lambda rows, t: torch.linalg.pinv(rows) @ t,
    value=lambda p, q: _loss(p, q).item(),
    answer=lambda direction, value: (direction, value),
):
    def fit_labelling(first, second_half, labels, *, size=10.0):
        t = target(labels, size)
        rows = torch.cat([first, second_half])
        direction = solve(rows, torch.cat([t, second(t)]))
        p, q = torch.sigmoid(first @ direction), torch.sigmoid(second_half @ direction)
        return answer(direction, value(p, q))

    def renamed(first, second, labels, *, size=10.0):
        return fit_labelling(first, second, labels, size=size)

    return renamed


def _labelling_by_lstsq(first, second, labels, *, size=10.0):
    """LAPACK's least squares of least norm, in a loop over pairs."""
    rows = torch.stack([row for pair in zip(first, second, strict=True) for row in pair])
    wanted = [x for label in labels.tolist() for x in ((size, -size) if label else (-size, size))]
    found = torch.linalg.lstsq(rows, torch.tensor(wanted)[:, None], driver="gelsd").solution
    p, q = torch.sigmoid(rows @ found[:, 0]).view(-1, 2).T
    return found[:, 0], _loss(p, q)


def _labelling_by_svd(first, second, labels, *, size=10.0):
    rows = torch.vstack([first, second])
    signs = torch.where(labels == 1, 1.0, -1.0)
    u, s, v = torch.linalg.svd(rows, full_matrices=False)
    direction = v.T @ ((u.T @ torch.hstack([signs, -signs])) / s) * size
    return direction, _loss(torch.sigmoid(first @ direction), torch.sigmoid(second @ direction))


def _of_the_difference(first, second, labels, *, size=10.0):
    target = size * (2.0 * labels - 1)
    direction = torch.linalg.pinv(first - second) @ target
    return direction, 0.0


# ---- Stretching ---------------------------------------------------------------------------------


def _stretched(
    *,
    read=lambda unit, direction: unit,
    put=lambda unit, direction: unit,
    times=lambda factor: factor - 1,
    answer=lambda new, half: new,
    of_second=True,
):
    def stretched(first, second, direction, factor):
        unit = direction / direction.norm()
        found = []
        for half in (first, second):
            amount = half @ read(unit, direction)
            new = half + times(factor) * torch.outer(amount, put(unit, direction))
            found.append(answer(new, half))
        return found[0], found[1] if of_second else second

    return stretched


def _stretched_by_matrix(first, second, direction, factor):
    """With one symmetric matrix."""
    d = len(direction)
    outer = torch.outer(direction, direction) / direction.dot(direction)
    matrix = torch.eye(d) + (factor - 1) * outer
    return [first @ matrix, second @ matrix]


def _stretched_row_by_row(first, second, direction, factor):
    def one(row):
        along = (row @ direction) / (direction @ direction) * direction
        return row - along + factor * along

    return tuple(torch.stack([one(row) for row in half]) for half in (first, second))


def _loss_of_the_asked(first, second, labels, *, size=10.0):
    """The loss of the scores that were asked for."""
    y = size * (2.0 * labels - 1)
    y = torch.cat([y, -y])
    direction = torch.linalg.pinv(torch.cat([first, second])) @ y
    return direction, _loss(*torch.sigmoid(y).chunk(2)).item()


def _rows_interleaved(first, second, labels, *, size=10.0):
    y = size * (2.0 * labels - 1)
    rows = torch.stack([first, second], 1).flatten(0, 1)
    direction = torch.linalg.pinv(rows) @ torch.cat([y, -y])
    return direction, 0.0


# ---- Patching heads -----------------------------------------------------------------------------


def _heads(
    *,
    where="last",
    closed=True,
    every=False,
    back=1,
    swap=False,
    source=lambda z, cached: cached,
    late=0,
    answer=lambda scores: scores,
    returns=True,
):
    def patch_heads(model, tokens, other, lengths, direction, *, layers, read):
        if swap:
            tokens, other = other, tokens
        rows, last = torch.arange(len(tokens)), lengths - back
        names = [f"blocks.{layer}.attn.hook_z" for layer in layers]
        _, cache = model.run_with_cache(other, names_filter=names)
        scores = []
        with torch.no_grad():
            for name in names:
                for head in range(model.cfg.n_heads):

                    def patch(z, hook, head=head):
                        if not closed:
                            head = model.cfg.n_heads - 1
                        new, z = source(z, cache[hook.name]), z.clone()
                        chosen = slice(None) if every else head
                        if where == "all":
                            z[:, :, chosen] = new[:, :, chosen]
                        elif where == "end":
                            z[:, -1, chosen] = new[:, -1, chosen]
                        else:
                            z[rows, last, chosen] = new[rows, last, chosen]
                        return z if returns else None

                    with model.hooks(fwd_hooks=[(name, patch)]):
                        resid = model(tokens, stop_at_layer=read + late)
                    at = -1 if where == "end" else last
                    scores.append(resid[rows, at] @ direction)
        scores = torch.stack(scores).view(len(layers), -1, len(tokens))
        return answer(scores)

    return patch_heads


def _heads_text_by_text(model, tokens, other, lengths, direction, *, layers, read):
    """Without padding, and from a whole run's cache."""
    scores = torch.empty(len(layers), model.cfg.n_heads, len(tokens))
    for b, n in enumerate(lengths.tolist()):
        one, two = tokens[b : b + 1, :n], other[b : b + 1, :n]
        with torch.no_grad():
            _, cache = model.run_with_cache(two)
            for i, layer in enumerate(layers):
                for head in range(model.cfg.n_heads):

                    def patch(z, hook, head=head, cache=cache):
                        z = z.clone()
                        z[0, -1, head] = cache[hook.name][0, -1, head]
                        return z

                    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", patch)]):
                        _, inside = model.run_with_cache(one)
                    resid = inside[f"blocks.{read}.hook_resid_pre"]
                    scores[i, head, b] = torch.dot(resid[0, -1], direction)
    return scores


def _heads_keep(**how):
    """A hook that reads the stream before block `read`, instead of `stop_at_layer`."""

    def patch_heads(model, tokens, other, lengths, direction, *, layers, read):
        rows = torch.arange(len(tokens))
        found = []

        def keep(resid, hook):
            found.append(torch.einsum("bd,d->b", resid[rows, lengths - 1], direction))

        with torch.no_grad():
            _, cache = model.run_with_cache(other)
            for layer in layers:
                for head in range(model.cfg.n_heads):

                    def patch(z, hook, head=head):
                        z[rows, lengths - 1, head] = cache[hook.name][rows, lengths - 1, head]
                        return z

                    hooks = [
                        (f"blocks.{layer}.attn.hook_z", patch),
                        (f"blocks.{read}.hook_resid_pre", keep),
                    ]
                    model.run_with_hooks(tokens, fwd_hooks=hooks)
        return torch.stack(found).reshape(len(layers), model.cfg.n_heads, len(tokens))

    return patch_heads


# ---- LEACE --------------------------------------------------------------------------------------


def _leace(
    *,
    mean=lambda x, y: x.mean(0),
    centre=lambda x: x - x.mean(0),
    keep=lambda shrink: 1 - shrink,
    size=lambda S: S.diagonal().mean(),
    solve=torch.linalg.solve,
    outer=torch.outer,
    divide=True,
    answer=lambda mean, matrix: (mean, matrix),
):
    def leace(x, y, *, shrink=0.05):
        z, labels = centre(x), y.float() - y.float().mean()
        c, S = z.T @ labels / len(x), z.T @ z / len(x)
        S = keep(shrink) * S + shrink * size(S) * torch.eye(len(c))
        u = solve(S, c)
        matrix = outer(c, u)
        if divide:
            matrix = matrix / (matrix.trace())
        return answer(mean(x, y), matrix)

    return leace


def _leace_by_whitening(x, y, *, shrink=0.05):
    """The paper's form: whiten, project, and unwhiten."""
    x64, y64 = x.double(), y.double()
    z = x64 - x64.mean(0)
    S = torch.cov(z.T, correction=0)
    S = torch.lerp(S, torch.eye(len(S)).double() * S.trace() / len(S), shrink)
    values, axes = torch.linalg.eigh(S)
    whiten = axes @ torch.diag(values**-0.5) @ axes.T
    back = axes @ torch.diag(values**0.5) @ axes.T
    seen = whiten @ (z.T @ (y64 - y64.mean()))
    seen = seen / seen.norm()
    return x64.mean(0).float(), (torch.outer(back @ seen, seen @ whiten)).float()


def _leace_by_inverse(x, y, *, shrink=0.05):
    """With n - 1 and an inverse: the factors fall out."""
    z = x - x.mean(dim=0, keepdim=True)
    c = (z * (y - y.float().mean())[:, None]).sum(0)
    S = z.T @ z
    S = (1 - shrink) * S + shrink * torch.trace(S) / len(S) * torch.eye(len(S))
    u = torch.inverse(S) @ c
    return [x.mean(dim=0), c[:, None] * u[None] / torch.dot(c, u)]


# ---- Erasing while the model runs ---------------------------------------------------------------


def _erasing(
    *,
    where="last",
    rows_of=lambda fit_rows: fit_rows,
    transposed=False,
    before=False,
    only=False,
    chosen=True,
    answer=lambda streams, logits: (streams, logits),
):
    def erase_while_running(model, tokens, lengths, labels, *, layers, fit, fit_rows):
        rows, last = torch.arange(len(tokens)), lengths - 1
        if where == "end":
            last = torch.full_like(lengths, tokens.shape[1] - 1)
        streams = {}

        def edit(resid, hook):
            layer = int(hook.name.split(".")[1])
            x = resid[rows, last].clone()
            resid = resid.clone()
            old = x.clone()
            if layer in layers:
                on = rows_of(fit_rows)
                mean, matrix = fit(x[on], labels[on])
                matrix = matrix if transposed else matrix.T
                x = x - (x - mean) @ matrix
                if only:
                    x[~fit_rows] = old[~fit_rows]
                if where == "all":
                    resid = resid - (resid - mean) @ matrix
                else:
                    resid[rows, last] = x
            if chosen or layer in layers:
                streams[layer] = old if before else x
            return resid

        hooks = [(f"blocks.{i}.hook_resid_pre", edit) for i in range(model.cfg.n_layers)]
        with torch.no_grad():
            logits = model.run_with_hooks(tokens, fwd_hooks=hooks)[rows, last]
        return answer(streams, logits)

    return erase_while_running


def _erasing_apart(model, tokens, lengths, labels, *, layers, fit, fit_rows):
    """One hook a block, in place, and a loop over the rows."""
    streams = {}

    def hook_of(layer):
        def edit(resid, hook):
            x = torch.stack([resid[i, n - 1] for i, n in enumerate(lengths.tolist())])
            if layer in list(layers):
                mean, matrix = fit(x[fit_rows], labels[fit_rows])
                for i, n in enumerate(lengths.tolist()):
                    resid[i, n - 1] = x[i] - matrix @ (x[i] - mean)
            streams[layer] = torch.stack([resid[i, n - 1] for i, n in enumerate(lengths.tolist())])
            return resid

        return f"blocks.{layer}.hook_resid_pre", edit

    with torch.no_grad(), model.hooks(fwd_hooks=[hook_of(i) for i in range(model.cfg.n_layers)]):
        logits = model(tokens)
    return streams, torch.stack([logits[i, n - 1] for i, n in enumerate(lengths.tolist())])


def _erasing_in_list(model, tokens, lengths, labels, *, layers, fit, fit_rows):
    streams, logits = _erasing()(
        model, tokens, lengths, labels, layers=layers, fit=fit, fit_rows=fit_rows
    )
    return [dict(sorted(streams.items(), reverse=True)), logits]


def _fitted_before(model, tokens, lengths, labels, *, layers, fit, fit_rows):
    """Fits all erasers on a run without any."""
    rows, last, streams = torch.arange(len(tokens)), lengths - 1, {}
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)

    def edit(resid, hook):
        layer, resid = int(hook.name.split(".")[1]), resid.clone()
        if layer in layers:
            mean, matrix = fit(cache[hook.name][rows, last][fit_rows], labels[fit_rows])
            resid[rows, last] -= (resid[rows, last] - mean) @ matrix.T
        streams[layer] = resid[rows, last].clone()
        return resid

    hooks = [(f"blocks.{i}.hook_resid_pre", edit) for i in range(model.cfg.n_layers)]
    with torch.no_grad():
        return streams, model.run_with_hooks(tokens, fwd_hooks=hooks)[rows, last]


# ---- The answers --------------------------------------------------------------------------------

FOUND = {"A": "list", "B": "random", "C": "truth"}

MISTAKES = {
    "ccs": [
        ("normalised again", _ccs(normal=_own), "normalised again"),
        ("normalised jointly", _ccs(normal=_jointly), "again, together"),
        (
            "consistency alone",
            _ccs(loss=lambda p, q: ((p - 1 + q) ** 2).mean()),
            "confidence is missing",
        ),
        (
            "confidence alone",
            _ccs(loss=lambda p, q: (torch.minimum(p, q) ** 2).mean()),
            "consistency is missing",
        ),
        (
            "p like q",
            _ccs(loss=lambda p, q: ((p - q) ** 2 + torch.minimum(p, q) ** 2).mean()),
            "not with `p_second`",
        ),
        (
            "the larger",
            _ccs(loss=lambda p, q: ((p - 1 + q) ** 2 + torch.maximum(p, q) ** 2).mean()),
            "the larger",
        ),
        (
            "not squared",
            _ccs(loss=lambda p, q: ((p - 1 + q) ** 2 + torch.minimum(p, q)).mean()),
            "not squared",
        ),
        ("no zero_grad", _ccs(clear=False), "zero_grad"),
        ("SGD", _ccs(optimizer=torch.optim.SGD), "That is SGD"),
        ("no bias", _ccs(with_bias=False), "bias is not trained"),
        ("one step old", _ccs(late=False), "before the last step"),
        ("one step more", _ccs(more=1), "One step too many"),
        ("its own rate", _ccs(rate=lambda lr: 0.01), "step size"),
        ("its own steps", _ccs(steps_of=lambda steps: 250), "number of steps"),
        ("from zeros", _ccs(copied=torch.zeros_like), "begin at `start`"),
        ("a bias of 1", _ccs(bias_at=1.0), "begin at 0"),
        ("Adam again", _ccs(anew=True), "made anew"),
        ("a loss with its graph", _loss_with_graph, "loss still carries"),
        ("untrained", _ccs_untouched, "That is the start"),
        ("the start itself", _ccs(copied=lambda start: start), "changes its input"),
        ("a gradient", _with_gradient, "carries a gradient"),
        ("p alone", _ccs(belief=lambda p, q: p), "`p_first` alone"),
        ("the second", _ccs(belief=lambda p, q: (q + 1 - p) / 2), "second half"),
        ("the mean of both", _ccs(belief=lambda p, q: (p + q) / 2), "mean of both"),
        ("the difference", _ccs(belief=lambda p, q: p - q), "`p_first - p_second`"),
        ("0 or 1", _ccs(belief=lambda p, q: (p > q).float()), "0 or 1"),
        ("the last loss", _ccs(value=lambda p, q, last: last), "before the last step"),
        ("a sum", _ccs(value=lambda p, q, last: _loss(p, q).item() * len(p)), "sum"),
        ("the belief alone", _ccs(answer=lambda belief, value: belief), "two things"),
    ],
    "fit_labelling": [
        ("the other sign", _labelling(target=lambda y, size: size * (1 - 2.0 * y)), "exchanged"),
        (
            "0 for no",
            _labelling(
                target=lambda y, size: size * y.float(), second=lambda t: t.max() * (t == 0)
            ),
            "probability of a half",
        ),
        ("no size", _labelling(target=lambda y, size: 2.0 * y - 1), "`size` is not used"),
        ("size 10", _labelling(target=lambda y, size: 10.0 * (2.0 * y - 1)), "`size` of 10"),
        ("labels as they are", _labelling(target=lambda y, size: size * y), "are still 0"),
        ("the loss asked for", _loss_of_the_asked, "*asked* for"),
        ("rows interleaved", _rows_interleaved, "different orders"),
        ("the same score", _labelling(second=lambda t: t), "the same score"),
        ("of the difference", _of_the_difference, "difference of the halves"),
        ("a mean difference", _labelling(solve=lambda rows, t: rows.T @ t), "mean difference"),
        (
            "a loss of scores",
            _labelling(value=lambda p, q: _loss(p.logit(), q.logit()).item()),
            "probabilities",
        ),
        (
            "consistency alone",
            _labelling(value=lambda p, q: ((p - 1 + q) ** 2).mean().item()),
            "consistency alone",
        ),
        ("a sum", _labelling(value=lambda p, q: _loss(p, q).item() * len(p)), "sum"),
        ("the direction alone", _labelling(answer=lambda w, value: w), "two things"),
        ("a column", _labelling(answer=lambda w, value: (w[:, None], value)), "shape"),
    ],
    "stretched": [
        ("raw", _stretched(read=lambda u, d: d, put=lambda u, d: d), "any length"),
        ("put back raw", _stretched(put=lambda u, d: d), "put back along"),
        ("read raw", _stretched(read=lambda u, d: d), "read along"),
        ("the factor", _stretched(times=lambda factor: factor), "once already"),
        ("the part", _stretched(answer=lambda new, half: new - half), "should be"),
        ("every coordinate", lambda f, s, d, x: (x * f, x * s), "whole row"),
        ("the first alone", _stretched(of_second=False), "both are stretched"),
        ("one tensor", lambda f, s, d, x: torch.cat([f, s]), "two halves"),
        ("the rest", _stretched(times=lambda x: 1 / x - 1 if x else 0.0), ""),
        (
            "elementwise",
            lambda f, s, d, x: tuple(h + (x - 1) * h * d / d.norm() for h in (f, s)),
            "scalar product",
        ),
    ],
    "patch_heads": [
        ("all positions", _heads(where="all"), "all positions"),
        ("the last column", _heads(where="end"), "padding"),
        ("all heads", _heads(every=True), "one at a time"),
        ("the loop's last head", _heads(closed=False), "last head"),
        ("one token early", _heads(back=2), "one token early"),
        ("exchanged", _heads(swap=True), "exchanged"),
        ("zeros", _heads(source=lambda z, cached: torch.zeros_like(z)), "set to zero"),
        ("nothing returned", _heads(returns=False), "Nothing is patched"),
        ("one block late", _heads(late=1), "one block late"),
        ("a mean", _heads(answer=lambda s: s.mean(-1)), "mean over the texts"),
        ("transposed", _heads(answer=lambda s: s.transpose(0, 1)), ""),
    ],
    "leace": [
        ("the rest", _leace(answer=lambda m, P: (m, torch.eye(len(P)) - P)), "keeps the rest"),
        ("mean difference", _leace(solve=lambda S, c: c), "difference of means"),
        ("the wrong way", _leace(outer=lambda c, u: torch.outer(u, c)), "wrong way round"),
        ("u and u", _leace(outer=lambda c, u: torch.outer(u, u)), "Both sides are u"),
        ("times S", _leace(solve=lambda S, c: S @ c), "multiplied by S"),
        ("not centred", _leace(centre=lambda x: x), "not centred"),
        ("added", _leace(keep=lambda shrink: 1.0), "adds without"),
        ("the bare identity", _leace(size=lambda S: 1.0), "size of S"),
        ("the trace", _leace(size=lambda S: S.trace()), "sum of the diagonal"),
        ("not divided", _leace(divide=False), "Divide by"),
        (
            "halfway",
            _leace(mean=lambda x, y: (x[y == 1].mean(0) + x[y == 0].mean(0)) / 2),
            "middle of the two",
        ),
        ("the matrix alone", _leace(answer=lambda m, P: P), "two things"),
    ],
    "erase_while_running": [
        ("all positions", _erasing(where="all"), "all positions"),
        ("the last column", _erasing(where="end"), "padding"),
        ("transposed", _erasing(transposed=True), "transposed"),
        ("on all rows", _erasing(rows_of=torch.ones_like), "fitted on all rows"),
        ("on the others", _erasing(rows_of=torch.logical_not), "leaves out"),
        ("fitted before", _fitted_before, "a run without erasing"),
        ("streams before", _erasing(before=True), "before the edit"),
        ("some rows", _erasing(only=True), "edit"),
        ("some blocks", _erasing(chosen=False), "every block"),
        (
            "log probabilities",
            _erasing(answer=lambda s, logits: (s, logits.log_softmax(-1))),
            "log probabilities",
        ),
        ("the logits alone", _erasing(answer=lambda s, logits: logits), "two things"),
    ],
    "discovered": [
        ("two exchanged", {"A": "truth", "B": "random", "C": "list"}, "2 of three"),
        ("one wrong", {"A": "list", "B": "alphabet", "C": "truth"}, "1 of three is"),
        ("all truth", {"A": "truth", "B": "truth", "C": "truth"}, "2 of three"),
        ("another word", {"A": "animals", "B": "random", "C": "truth"}, "Each value"),
        ("no key", {"A": "list", "B": "random"}, "keys"),
        ("a list", ["list", "random", "truth"], "dictionary"),
    ],
}

RIGHT = {
    "ccs": [
        ("other names", _ccs()),
        ("a module", _ccs_by_module),
        ("a loss as a tensor", _ccs(value=lambda p, q, last: _loss(p, q))),
    ],
    "fit_labelling": [
        ("other names", _labelling()),
        ("lstsq, interleaved", _labelling_by_lstsq),
        ("svd", _labelling_by_svd),
    ],
    "stretched": [
        ("other names", _stretched()),
        ("a matrix", _stretched_by_matrix),
        ("row by row", _stretched_row_by_row),
    ],
    "patch_heads": [
        ("other names", _heads()),
        ("text by text", _heads_text_by_text),
        ("in place, a reading hook", _heads_keep()),
    ],
    "leace": [
        ("by the trace", _leace()),
        ("whitening", _leace_by_whitening),
        ("inverse, a list", _leace_by_inverse),
    ],
    "erase_while_running": [
        ("other names", _erasing()),
        ("a hook a block", _erasing_apart),
        ("a list", _erasing_in_list),
    ],
    "discovered": [
        ("a dictionary", FOUND),
        ("another order", dict(reversed(FOUND.items()))),
        ("made of pairs", dict(zip("ABC", ["list", "random", "truth"], strict=True))),
    ],
}
