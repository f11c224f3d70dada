"""Right and wrong answers to lesson 5.3."""

import torch

# ---- Counterfactual pairs -----------------------------------------------------------------------


def _exchanged(*, swap=None, by_name=None, by_place=None, by_drink=None, turn=lambda x: x):
    def exchange_places(names, drinks, fresh, asked, other):
        rows = torch.arange(len(names))
        given = (names, drinks, fresh, asked, other, rows)
        new = swap(*given) if swap else _swapped(*given)
        answers = [
            by_name(*given) if by_name else drinks[rows, asked],
            by_place(*given) if by_place else drinks[rows, other],
            by_drink(*given) if by_drink else fresh[rows, other],
        ]
        return new, turn(torch.stack(answers))

    return exchange_places


def _swapped(names, drinks, fresh, asked, other, rows):
    new = names.clone()
    new[rows, asked], new[rows, other] = names[rows, other], names[rows, asked]
    return new


def _overwritten(names, drinks, fresh, asked, other, rows):
    new = names.clone()
    new[rows, asked] = new[rows, other]
    new[rows, other] = new[rows, asked]
    return new


def _by_loops(names, drinks, fresh, asked, other):
    new, answers = [], [[], [], []]
    for i, (a, o) in enumerate(zip(asked.tolist(), other.tolist(), strict=True)):
        row = names[i].tolist()
        row[a], row[o] = row[o], row[a]
        new.append(row)
        for each, value in zip(answers, (drinks[i, a], drinks[i, o], fresh[i, o]), strict=True):
            each.append(int(value))
    return torch.tensor(new), torch.tensor(answers)


def _by_gather(names, drinks, fresh, asked, other):
    order = torch.arange(names.shape[1]).repeat(len(names), 1)
    order.scatter_(1, asked[:, None], other[:, None]).scatter_(1, other[:, None], asked[:, None])
    takes = [(drinks, asked), (drinks, other), (fresh, other)]
    return [names.gather(1, order), torch.cat([x.gather(1, i[:, None]) for x, i in takes], 1).T]


# ---- Interchange --------------------------------------------------------------------------------


def _moved(
    *,
    run=lambda base, source: base,
    places=lambda at, there: (at, there),
    back=True,
    late=False,
    read=lambda logits: logits[:, -1].argmax(-1),
    turn=lambda said: said,
    copy=True,
):
    def interchange(model, base, source, hooks, *, at, source_at):
        rows = torch.arange(len(base))[:, None]
        to, of = places(at, source_at)
        said = []
        with torch.no_grad():
            _, cache = model.run_with_cache(source)
            for name in hooks:
                name = hooks[-1] if late else name

                def put(x, hook, name=name):
                    new = x.clone() if copy else x
                    new[rows[: len(to)], to] = cache[name][rows[: len(of)], of]
                    return new if back else None

                logits = model.run_with_hooks(run(base, source), fwd_hooks=[(name, put)])
                said.append(read(logits))
        return turn(torch.stack(said))

    return interchange


def _moved_by_loops(model, base, source, hooks, *, at, source_at):
    answers = torch.zeros(len(hooks), len(base), dtype=torch.long)
    for k, name in enumerate(hooks):
        with torch.no_grad():
            theirs = model.run_with_cache(source, names_filter=name)[1][name]

            def put(x, hook, theirs=theirs):
                x = x.clone()
                for i in range(len(x)):
                    for a, b in zip(at[i].tolist(), source_at[i].tolist(), strict=True):
                        x[i, a] = theirs[i, b]
                return x

            with model.hooks(fwd_hooks=[(name, put)]):
                answers[k] = model(base)[:, -1].argmax(-1)
    return answers


def _all_at_once(model, base, source, hooks, *, at, source_at):
    rows = torch.arange(len(base))[:, None]
    with torch.no_grad():
        _, cache = model.run_with_cache(source)

        def make(name):
            def put(x, hook):
                x = x.clone()
                x[rows, at] = cache[name][rows, source_at]
                return x

            return name, put

        said = model.run_with_hooks(base, fwd_hooks=[make(h) for h in hooks])[:, -1].argmax(-1)
    return said.repeat(len(hooks), 1)


# ---- Binding vectors ----------------------------------------------------------------------------


def _means(take):
    def place_means(model, tokens, at, name):
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens)
        return take(cache[name], at, torch.arange(len(tokens))[:, None])

    return place_means


def _means_by_gather(model, tokens, at, name):
    kept = []
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[(name, lambda x, hook: kept.append(x.clone()))])
    index = at[:, :, None].expand(-1, -1, kept[0].shape[-1])
    return kept[0].gather(1, index).mean(0)


def _means_by_loops(model, tokens, at, name):
    total = 0
    for row, places in zip(tokens, at, strict=True):
        with torch.no_grad():
            total = total + model.run_with_cache(row[None])[1][name][0, places]
    return total / len(tokens)


def _shifted(
    *,
    step=lambda means, a, b: means[b] - means[a],
    up=1,
    down=1,
    places_of=lambda at: at,
    fixed=False,
    copy=True,
    back=True,
    pair=True,
):
    def exchange_ids(means, at, name, *, places=(0, 1)):
        first, second = (0, 1) if fixed else places

        def hook(resid, hook):
            new = resid.clone() if copy else resid
            rows = torch.arange(len(resid))
            where = places_of(at)
            new[rows, where[:, first]] += up * step(means, first, second)
            new[rows, where[:, second]] -= down * step(means, first, second)
            return new if back else None

        return (name, hook) if pair else hook

    return exchange_ids


def _whole(means, at, name, *, places=(0, 1)):
    def hook(resid, hook):
        new, rows = resid.clone(), torch.arange(len(resid))
        i, j = (at[:, place] for place in places)
        new[rows, i], new[rows, j] = resid[rows, j], resid[rows, i]
        return new

    return name, hook


def _shifted_by_loops(means, at, name, *, places=(0, 1)):
    change = means[places[1]] - means[places[0]]

    def hook(resid, hook):
        added = torch.zeros_like(resid)
        for i in range(len(resid)):
            added[i, at[i, places[0]]] = change
            added[i, at[i, places[1]]] = -change
        return resid + added

    return [name, hook]


# ---- Subspaces ----------------------------------------------------------------------------------


def _part(change, *, at=slice(-1, None), late=False, back=True, turn=lambda said: said):
    def subspace_interchange(model, base, source, bases, *, name):
        said = []
        with torch.no_grad():
            _, cache = model.run_with_cache(source)
            for basis in bases:
                basis = bases[-1] if late else basis

                def put(x, hook, basis=basis):
                    new = x.clone()
                    new[:, at] = change(x[:, at], cache[name][:, at], basis @ basis.T)
                    return new if back else None

                logits = model.run_with_hooks(base, fwd_hooks=[(name, put)])
                said.append(logits[:, -1].argmax(-1))
        return turn(torch.stack(said))

    return subspace_interchange


def _part_by_coordinates(model, base, source, bases, *, name):
    states = []
    with torch.no_grad():
        for tokens in (base, source):
            keep = [(name, lambda x, hook: states.append(x[:, -1].clone()))]
            model.run_with_hooks(tokens, fwd_hooks=keep)
        out = []
        for basis in bases:
            new = states[0].clone()
            for column in basis.T:
                new += ((states[1] - states[0]) @ column)[:, None] * column

            def put(x, hook, new=new):
                return torch.cat([x[:, :-1], new[:, None]], dim=1)

            out.append(model.run_with_hooks(base, fwd_hooks=[(name, put)])[:, -1].argmax(-1))
    return torch.stack(out)


MISTAKES = {
    "exchange_places": [
        ("not exchanged", _exchanged(swap=lambda n, *_: n.clone()), "stand as they did"),
        ("overwritten", _exchanged(swap=_overwritten), "overwritten"),
        ("turned", _exchanged(swap=lambda n, *_: n.flip(1)), "turned round"),
        ("place of fresh", _exchanged(by_place=lambda n, d, f, a, o, r: f[r, a]), "*base's* drink"),
        ("drink at asked", _exchanged(by_drink=lambda n, d, f, a, o, r: f[r, a]), "stands at"),
        ("name of fresh", _exchanged(by_name=lambda n, d, f, a, o, r: f[r, a]), "By name"),
        ("place is name", _exchanged(by_place=lambda n, d, f, a, o, r: d[r, a]), "differ"),
        ("order", _exchanged(turn=lambda x: x[[1, 0, 2]]), "wrong order"),
        ("axes", _exchanged(turn=lambda x: x.T), "[account, story]"),
        ("names alone", lambda *given: _exchanged()(*given)[0], "two things"),
    ],
    "interchange": [
        ("nothing returned", _moved(back=False), "Nothing was exchanged"),
        ("the source is run", _moved(run=lambda b, s: s[:, : b.shape[1]]), ""),
        ("source at `at`", _moved(places=lambda a, s: (a, a)), "not from"),
        ("first row", _moved(places=lambda a, s: (a[:1].expand_as(a), s[:1].expand_as(s))), "rows"),
        ("one of two", _moved(places=lambda a, s: (a[:, :1], s[:, :1])), "first of the moved"),
        ("late binding", _moved(late=True), "*last* name"),
        ("together", _all_at_once, "work together"),
        ("first token", _moved(read=lambda x: x[:, 0].argmax(-1)), "first position"),
        ("axes", _moved(turn=lambda x: x.T), "[hook, story]"),
        ("logits", _moved(read=lambda x: x[:, -1]), "token ids"),
    ],
    "place_means": [
        ("first row", _means(lambda x, at, rows: x[:, at[0]].mean(0)), "first story"),
        ("crossed", _means(lambda x, at, rows: x[:, at].mean((0, 1))), "pair row i"),
        ("over places", _means(lambda x, at, rows: x[rows, at].mean(1)), "over places"),
        ("sum", _means(lambda x, at, rows: x[rows, at].sum(0)), "sums"),
        ("all", _means(lambda x, at, rows: x[rows, at].mean((0, 1))), "one mean for all"),
        ("no mean", _means(lambda x, at, rows: x[rows, at]), "average over the stories"),
        ("turned", _means(lambda x, at, rows: x[rows, at].mean(0).T), "turned"),
    ],
    "exchange_ids": [
        ("sign", _shifted(step=lambda m, a, b: m[a] - m[b]), "sign"),
        ("first alone", _shifted(down=0), "Only the first"),
        ("second alone", _shifted(up=0), "Only the second"),
        ("both added", _shifted(down=-1), "Both places"),
        ("whole states", _whole, "Whole activations"),
        ("first row", _shifted(places_of=lambda at: at[:1].expand_as(at)), "first story"),
        ("places ignored", _shifted(fixed=True), "whatever `places` says"),
        ("in place", _shifted(copy=False), "clone"),
        ("nothing returned", _shifted(back=False), "gives nothing back"),
        ("the hook alone", _shifted(pair=False), "pair (name, hook)"),
    ],
    "subspace_interchange": [
        ("nothing returned", _part(lambda b, s, p: b, back=False), "Nothing was exchanged"),
        ("whole", _part(lambda b, s, p: s), "whole activation"),
        ("other part", _part(lambda b, s, p: s + (b - s) @ p), "other part"),
        ("added", _part(lambda b, s, p: b + s @ p), "not been taken out"),
        ("rest lost", _part(lambda b, s, p: s @ p), "The rest is gone"),
        ("taken out", _part(lambda b, s, p: b - b @ p), "not put in"),
        ("sign", _part(lambda b, s, p: b - (s - b) @ p), "sign"),
        ("everywhere", _part(lambda b, s, p: b + (s - b) @ p, at=slice(None)), "All positions"),
        ("late binding", _part(lambda b, s, p: b + (s - b) @ p, late=True), "*last* basis"),
        ("axes", _part(lambda b, s, p: b + (s - b) @ p, turn=lambda x: x.T), "[basis, story]"),
    ],
    "followers": [
        ("one right", {(3, 1), (3, 0)}, "One of them is right"),
        ("others", {(3, 0), (3, 3)}, "next to nothing"),
        ("another block", {(1, 2), (2, 1)}, "that block"),
        ("one", {(3, 1)}, "two different heads"),
        ("twice", [(3, 1), (3, 1)], "two different heads"),
        ("too high", {(3, 1), (3, 7)}, "heads 0 to 3"),
    ],
}

RIGHT = {
    "exchange_places": [
        ("indices", _exchanged()),
        ("loops", _by_loops),
        ("scatter and gather, a list", _by_gather),
    ],
    "interchange": [("a cache", _moved()), ("loops and a context", _moved_by_loops)],
    "place_means": [
        ("indices", _means(lambda x, at, rows: x[rows, at].mean(0))),
        ("gather", _means_by_gather),
        ("loops", _means_by_loops),
    ],
    "exchange_ids": [("indices", _shifted()), ("loops, a list", _shifted_by_loops)],
    "subspace_interchange": [
        ("a projection", _part(lambda b, s, p: b + (s - b) @ p)),
        ("the same, otherwise", _part(lambda b, s, p: b - b @ p + s @ p)),
        ("column by column", _part_by_coordinates),
    ],
    "followers": [("a list", [(3, 2), (3, 1)]), ("lists", [[3, 1], [3, 2]])],
}
