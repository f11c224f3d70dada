"""Lesson 2.3: the library's version of each exercise, and plausible wrong answers."""

import numpy as np
import torch
import torch.nn.functional as F

from utils.reading.linear import ridge

# ---- Reading ------------------------------------------------------------------------------------


def _read(
    *,
    states=(-1, 0, 1),
    where=lambda fit: fit,
    decide=lambda scores, n: scores.view(-1, n, 3).argmax(-1),
    name=lambda best, states: states[best],
    rows=lambda resid, fit: resid.flatten(0, 1),
    shape=lambda read, board: read.view(board.shape),
    penalty=1e-3,
):
    def read_boards(resid, board, fit):
        of = torch.tensor(states)
        targets = (board[where(fit)][..., None] == of).double().flatten(1)
        probe = ridge(resid[where(fit)], targets, penalty=penalty)
        scores = probe(rows(resid, fit))
        return shape(name(decide(scores, board.shape[-1]), of), board)

    return read_boards


def _read_amounts(decide):
    def read_boards(resid, board, fit):
        probe = ridge(resid[fit], board[fit].double(), penalty=1e-3)
        return decide(probe(resid.flatten(0, 1))).long().view(board.shape)

    return read_boards


def _read_without_bias(resid, board, fit):
    rows = resid[fit].double()
    hot = F.one_hot(board[fit].long() + 1, 3).double().flatten(1)
    made = rows.T @ rows + 1e-3 * torch.eye(rows.shape[1]).double()
    scores = resid.flatten(0, 1).double() @ torch.linalg.solve(made, rows.T @ hot)
    return scores.view(*board.shape, 3).argmax(-1) - 1


def _read_by_squares(resid, board, fit):
    found = torch.zeros_like(board)
    for square in range(board.shape[-1]):
        scores = []
        for state in (-1, 0, 1):
            target = (board[fit][:, square] == state).double()[:, None]
            scores.append(ridge(resid[fit], target, penalty=1e-3)(resid.flatten(0, 1)))
        best = torch.stack(scores, -1).argmax(-1).view(board.shape[:2])
        found[..., square] = best - 1
    return found


def _read_by_one_hot(resid, board, fit):
    hot = F.one_hot(board[fit].long() + 1, 3).double()
    probe = ridge(resid[fit], hot.reshape(len(hot), -1), penalty=1e-3)
    rows = [probe(game).unflatten(1, (-1, 3)).argmax(-1) - 1 for game in resid]
    return torch.stack(rows)


# ---- The edit -----------------------------------------------------------------------------------


def _flip(
    amount=lambda dot, bias, size, scale: (1 + scale) * (dot + bias) / size,
    *,
    put=lambda resid, step: resid - step,
    score=lambda resid, direction: (resid * direction).sum(-1),
    along=lambda direction: direction,
):
    def flip_along(resid, direction, bias, scale):
        size = direction.pow(2).sum(-1)
        step = amount(score(resid, direction), bias, size, scale)
        return put(resid, step[:, None] * along(direction))

    return flip_along


def _flip_unit_direction_raw_bias(resid, direction, bias, scale):
    unit = direction / direction.norm(dim=-1, keepdim=True)
    return resid - ((1 + scale) * ((resid * unit).sum(-1) + bias))[:, None] * unit


def _flip_first_line(resid, direction, bias, scale):
    score = resid @ direction[0] + bias[0]
    return resid - (1 + scale) * score[:, None] * direction[0] / direction[0].pow(2).sum()


def _flip_by_rows(resid, direction, bias, scale):
    rows = []
    for x, d, b in zip(resid, direction, bias, strict=True):
        score = torch.dot(x, d) + b
        rows.append(x + (-scale * score - score) / torch.dot(d, d) * d)
    return torch.stack(rows)


def _flip_by_einsum(resid, direction, bias, scale):
    length = direction.norm(dim=-1)
    score = torch.einsum("nd,nd->n", resid, direction) + bias
    return resid - torch.einsum("n,nd->nd", (1 + scale) * score / length**2, direction)


def _flip_by_unit(resid, direction, bias, scale):
    length = torch.linalg.vector_norm(direction, dim=1, keepdim=True)
    unit = direction / length
    distance = torch.sum(resid * unit, dim=1, keepdim=True) + bias[:, None] / length
    return resid - distance * unit - scale * distance * unit


def _swept(
    mean,
    *,
    point="blocks.{}.hook_resid_pre",
    give=lambda out, mean: mean.expand_as(out),
    pack=lambda found: found,
    add_up=False,
):
    def sweep_components(model, tokens, going, components, read, *, layer):
        weight, found, before = going[..., None].float(), {}, []
        for name in components:
            kept = {}

            def ablate(out, hook):
                return give(out, mean(out, weight))

            def keep(resid, hook, kept=kept):
                kept["resid"] = resid

            before = [*before, (name, ablate)] if add_up else [(name, ablate)]
            with torch.no_grad():
                model.run_with_hooks(tokens, fwd_hooks=[*before, (point.format(layer), keep)])
            found[name] = read(kept["resid"])
        return pack(found)

    return sweep_components


def _going_mean(out, weight):
    return (out * weight).sum(0, keepdim=True) / weight.sum(0, keepdim=True).clamp(min=1)


def _swept_by_loops(model, tokens, going, components, read, *, layer):
    found = {}
    for name in components:
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens)
        mean = torch.zeros_like(cache[name])
        for t in range(tokens.shape[1]):
            if going[:, t].any():
                mean[:, t] = cache[name][going[:, t], t].mean(0)
        streams = []
        hooks = [
            (name, lambda out, hook, mean=mean: mean),
            (f"blocks.{layer}.hook_resid_pre", lambda x, hook, s=streams: s.append(x.clone())),
        ]
        with torch.no_grad():
            model.run_with_hooks(tokens, fwd_hooks=hooks)
        found[name] = read(streams[0])
    return found


def _swept_in_context(model, tokens, going, components, read, *, layer):
    place = f"blocks.{layer}.hook_resid_pre"

    def one(name):
        def ablate(out, hook):
            count = going.sum(0).clamp(min=1)[None, :, None]
            return torch.where(going[..., None], out, 0).sum(0, keepdim=True).div(
                count
            ) + torch.zeros_like(out)

        with torch.no_grad(), model.hooks(fwd_hooks=[(name, ablate)]):
            _, cache = model.run_with_cache(tokens, names_filter=[place])
        return torch.tensor(read(cache[place]))

    return {name: one(name) for name in components}


def _to_own(
    own=lambda back, at: back % 2 == 1,
    moves=lambda back, at: (back >= 0) & (at > 0),
    count=lambda going: going,
    share=lambda a, b, total: a.sum((0, 2)) / b.sum((0, 2)),
):
    def attention_to_own(pattern, going):
        at = torch.arange(pattern.shape[-1])
        back = at[:, None] - at
        weight = count(going)[:, None, :, None].float()
        all_moves = moves(back, at).expand_as(back)
        mine = all_moves & own(back, at)
        a, b = ((pattern * weight * mask).sum(-1) for mask in (mine, all_moves))
        return share(a, b, count(going).sum())

    return attention_to_own


def _to_own_with_bos(*, own, moves):
    def attention_to_own(pattern, going):
        at = torch.arange(pattern.shape[-1])
        back = at[:, None] - at
        mine = (back >= 0) & (back % 2 == 1) & (at >= own)
        weight = going[:, None, :, None].float()
        a, b = (
            (pattern * weight * mask).sum((0, 2, 3)) for mask in (mine, (back >= 0) & (at >= moves))
        )
        return a / b

    return attention_to_own


def _to_own_by_loops(pattern, going):
    n, heads, n_pos, _ = pattern.shape
    own, every = torch.zeros(heads), torch.zeros(heads)
    for g in range(n):
        for t in range(n_pos):
            if going[g, t]:
                for k in range(1, t + 1):
                    every += pattern[g, :, t, k]
                    if (t + k) % 2:
                        own += pattern[g, :, t, k]
    return own / every


def _to_own_by_einsum(pattern, going):
    at = torch.arange(pattern.shape[-1])
    odd = ((at[:, None] + at) % 2 == 1) & (at > 0) & (at <= at[:, None])
    even = ((at[:, None] + at) % 2 == 0) & (at > 0) & (at <= at[:, None])
    a, b = (
        torch.einsum("ghtk,tk,gt->h", pattern, mask.float(), going.float()) for mask in (odd, even)
    )
    return a / (a + b)


def _to_own_by_rows(pattern, going):
    games, times = going.nonzero().unbind(1)
    rows = pattern[games, :, times]
    keys = torch.arange(pattern.shape[-1])
    own = ((times[:, None] - keys) % 2 == 1) & (keys > 0)
    return (rows * own[:, None]).sum((0, 2)) / rows[..., 1:].sum((0, 2))


# ---- Two orders ---------------------------------------------------------------------------------


def _accepted(
    weights=lambda p, epsilon: p * (p > epsilon),
    test=lambda p, q, epsilon: q > epsilon,
    draw=lambda w, generator: torch.multinomial(w, 1, generator=generator),
    join=(True, True),
    shift=0,
    so_far=True,
    swap=False,
    end=lambda found: found,
):
    def continuations_accepted(model, first, second, *, n_moves, epsilon, generator):
        a, b = (second, first) if swap else (first, second)
        good, found = torch.ones(len(a), dtype=torch.bool), []
        for _ in range(n_moves):
            p, q = (model(x)[:, -1].softmax(-1) for x in (a, b))
            move = draw(weights(p, epsilon), generator)
            here = test(p.gather(1, move)[:, 0], q.gather(1, move)[:, 0], epsilon)
            good = good & here
            found.append(good if so_far else here)
            move = move + shift
            a = torch.cat([a, move], 1) if join[0] else a
            b = torch.cat([b, move], 1) if join[1] else b
        return end(torch.stack(found, 1))

    return continuations_accepted


def _accepted_aliased(model, first, second, *, n_moves, epsilon, generator):
    good, out = torch.ones(len(first), dtype=torch.bool), []
    for _ in range(n_moves):
        p, q = (model(x)[:, -1].softmax(-1) for x in (first, second))
        move = torch.multinomial(p * (p > epsilon), 1, generator=generator)
        good &= q.gather(1, move)[:, 0] > epsilon
        out.append(good)
        first, second = (torch.cat([x, move], 1) for x in (first, second))
    return torch.stack(out, 1)


def _accepted_by_product(model, first, second, *, n_moves, epsilon, generator):
    refused = torch.zeros(len(first), n_moves)
    both = torch.stack([first, second])
    for i in range(n_moves):
        probs = torch.stack([model(x)[:, -1].softmax(-1) for x in both])
        allowed = torch.where(probs[0] > epsilon, probs[0], 0.0)
        move = allowed.multinomial(1, generator=generator)
        refused[:, i] = (probs[1].gather(1, move)[:, 0] <= epsilon).float()
        both = torch.cat([both, move.expand(2, -1, -1)], dim=2)
    return refused.cumsum(1) == 0


def _accepted_by_masks(model, first, second, *, n_moves, epsilon, generator):
    found, n = [], first.shape[1]
    start = second
    for _ in range(n_moves):
        logits = model(first)[:, -1]
        probs = logits.softmax(-1)
        probs = probs.masked_fill(probs <= epsilon, 0)
        move = torch.multinomial(probs, 1, generator=generator)
        first = torch.hstack([first, move])
        after = model(torch.hstack([start, first[:, n:-1]]))[:, -1].softmax(-1)
        found.append(after[torch.arange(len(move)), move[:, 0]] > epsilon)
    return torch.stack(found, 1).long().cumprod(1).bool()


def _accepted_row_by_row(model, first, second, *, n_moves, epsilon, generator):
    steps = []
    done = [True] * len(first)
    for _ in range(n_moves):
        p = torch.softmax(model(first)[:, -1], -1)
        q = torch.softmax(model(second)[:, -1], -1)
        move = torch.multinomial(p * (p > epsilon).float(), 1, generator=generator)
        for i, each in enumerate(move[:, 0].tolist()):
            done[i] = done[i] and q[i, each].item() > epsilon
        steps.append(list(done))
        first, second = torch.cat([first, move], 1), torch.cat([second, move], 1)
    return torch.tensor(steps).T


# ---- Latents --------------------------------------------------------------------------


def _coverage(
    cut_of=lambda acts, cut: cut * acts.amax(0),
    score=lambda hits, says, holds: 2 * hits / (says + holds),
    over=lambda table: table.amax((0, 1)),
    cuts_of=lambda cuts: cuts,
    end=lambda best: best,
):
    def coverage(acts, facts, *, cuts):
        tables = []
        for cut in cuts_of(cuts):
            says = (acts > cut_of(acts, cut)).float()
            hits = says.T @ facts.float()
            tables.append(score(hits, says.sum(0)[:, None], facts.sum(0).float()))
        return end(over(torch.stack(tables)))

    return coverage


def _coverage_by_loops(acts, facts, *, cuts):
    found = []
    for j in range(facts.shape[1]):
        best = 0.0
        for i in range(acts.shape[1]):
            for cut in cuts:
                says = acts[:, i] > cut * acts[:, i].max()
                both = int((says & facts[:, j]).sum())
                best = max(best, 2 * both / int(says.sum() + facts[:, j].sum()))
        found.append(best)
    return torch.tensor(found)


def _coverage_by_einsum(acts, facts, *, cuts):
    cut = torch.tensor(cuts)[:, None, None] * acts.max(0).values
    says = (acts[None] > cut).float()
    hits = torch.einsum("cnl,nf->clf", says, facts.float())
    f1 = 2 * hits / (says.sum(1)[..., None] + facts.float().sum(0))
    return f1.flatten(0, 1).max(0).values


def _coverage_by_precision(acts, facts, *, cuts):
    best = torch.zeros(facts.shape[1])
    for cut in cuts:
        says = (acts > cut * acts.amax(0)).float()
        hits = says.T @ facts.float()
        precision = hits / says.sum(0).clamp(min=1)[:, None]
        recall = hits / facts.float().sum(0)
        f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        best = torch.maximum(best, f1.amax(0))
    return best


RIGHT = {
    "read_boards": [
        ("square by square", _read_by_squares),
        ("one_hot", _read_by_one_hot),
        ("argmax less 1", _read(name=lambda best, states: best - 1)),
    ],
    "flip_along": [
        ("row by row", _flip_by_rows),
        ("einsum", _flip_by_einsum),
        ("unit direction", _flip_by_unit),
    ],
    "sweep_components": [
        ("loops over a cache", _swept_by_loops),
        ("contexts, tensors for floats", _swept_in_context),
        ("one hook", _swept(_going_mean)),
    ],
    "attention_to_own": [
        ("loops", _to_own_by_loops),
        ("einsum", _to_own_by_einsum),
        ("rows", _to_own_by_rows),
    ],
    "continuations_accepted": [
        ("cumsum", _accepted_by_product),
        ("cumprod", _accepted_by_masks),
        ("lists", _accepted_row_by_row),
    ],
    "coverage": [
        ("loops", _coverage_by_loops),
        ("einsum", _coverage_by_einsum),
        ("precision and recall", _coverage_by_precision),
    ],
}

MISTAKES = {
    "read_boards": [
        ("states 0 to 2", _read(name=lambda best, states: best), "0, 1 and 2"),
        ("turned round", _read(name=lambda best, states: 1 - best), "turned round"),
        ("all positions", _read(where=torch.ones_like), "only those in `fit`"),
        ("the rest", _read(where=lambda fit: ~fit), "where `fit` is False"),
        ("amounts, rounded", _read_amounts(lambda s: s.round().clamp(-1, 1)), "not amounts"),
        ("amounts, sign", _read_amounts(torch.sign), "not amounts"),
        (
            "packed otherwise",
            _read(decide=lambda scores, n: scores.view(-1, 3, n).argmax(1)),
            "mixed up",
        ),
        ("the truth", lambda resid, board, fit: board, "true boards"),
        ("penalty 1", _read(penalty=1.0), "penalty=1e-3"),
        ("penalty 0.1", _read(penalty=0.1), "penalty=1e-3"),
        (
            "the lowest",
            _read(decide=lambda scores, n: scores.view(-1, n, 3).argmin(-1)),
            "lowest score",
        ),
        ("no bias", _read_without_bias, "has no bias"),
        (
            "whole games",
            _read(where=lambda fit: fit.any(1, keepdim=True).expand_as(fit)),
            "whole games",
        ),
        (
            "those fitted on",
            _read(rows=lambda resid, fit: resid[fit], shape=lambda read, board: read),
            "*every* position",
        ),
        ("one axis", _read(shape=lambda read, board: read), "one axis still"),
    ],
    "flip_along": [
        ("no bias", _flip(lambda dot, b, size, s: (1 + s) * dot / size), "bias is left out"),
        ("bias turned", _flip(lambda dot, b, size, s: (1 + s) * (dot - b) / size), "other sign"),
        ("unit, raw bias", _flip_unit_direction_raw_bias, "was made one long"),
        ("length", _flip(lambda dot, b, size, s: (1 + s) * (dot + b) / size.sqrt()), "*squared*"),
        ("no length", _flip(lambda dot, b, size, s: (1 + s) * (dot + b)), "not taken out"),
        (
            "length thrice",
            _flip(along=lambda d: d / d.norm(dim=-1, keepdim=True)),
            "once too often",
        ),
        ("grown", _flip(lambda dot, b, size, s: -(1 + s) * (dot + b) / size), "Subtract"),
        ("absolute", _flip(lambda dot, b, size, s: (1 + s) * (dot + b).abs() / size), "is lost"),
        ("to the line", _flip(lambda dot, b, size, s: s * (dot + b) / size), "as far as score 0"),
        ("plus scale", _flip(lambda dot, b, size, s: (1 - s) * (dot + b) / size), "*plus* scale"),
        ("no scale", _flip(lambda dot, b, size, s: 2 * (dot + b) / size), "scale is ignored"),
        ("twice the scale", _flip(lambda dot, b, size, s: 2 * s * (dot + b) / size), "2 * scale"),
        ("the step alone", _flip(put=lambda resid, step: -step), "replaced by the step"),
        ("nothing", _flip(put=lambda resid, step: resid), "has not moved"),
        ("the first line", _flip_first_line, "first one's direction"),
        ("the score", lambda resid, d, bias, scale: (resid * d).sum(-1) + bias, "are the scores"),
    ],
    "fault": [
        ("transposed", ("c2",), "exchanged"),
        ("another", ("d4",), "It is not d4"),
        ("two", ("b3", "c3"), "Give one square"),
        ("no square", ("k9",), "not a square"),
        ("its number, wrong", (14,), "It is not c3"),
    ],
    "sweep_components": [
        ("all games", _swept(lambda out, w: out.mean(0, keepdim=True)), "weight it by `going`"),
        (
            "all positions",
            _swept(lambda out, w: (out * w).sum((0, 1), keepdim=True) / w.sum()),
            "positions as well",
        ),
        ("all", _swept(lambda out, w: out.mean((0, 1), keepdim=True)), "all games and positions"),
        ("in each game", _swept(lambda out, w: out.mean(1, keepdim=True)), "in each game"),
        ("no clamp", _swept(lambda out, w: (out * w).sum(0) / w.sum(0)), "NaN"),
        ("zeros", _swept(lambda out, w: torch.zeros_like(out)), "zero ablation"),
        (
            "over all games",
            _swept(lambda out, w: (out * w).mean(0, keepdim=True)),
            "number of all games",
        ),
        ("adds up", _swept(_going_mean, add_up=True), "ablated alone"),
        ("nothing", _swept(_going_mean, give=lambda out, mean: None), "Nothing is ablated"),
        (
            "after the block",
            _swept(_going_mean, point="blocks.{}.hook_resid_post"),
            "before another block",
        ),
        ("a list", _swept(_going_mean, pack=lambda found: list(found.values())), "Return a dict"),
        (
            "numbered",
            _swept(_going_mean, pack=lambda found: dict(enumerate(found.values()))),
            "under its name",
        ),
    ],
    "attention_to_own": [
        ("other", _to_own(own=lambda back, at: back % 2 == 0), "exchanged"),
        ("with BOS", _to_own(moves=lambda back, at: back >= 0), "own and all"),
        ("BOS as own", _to_own_with_bos(own=0, moves=1), "and not among all"),
        ("BOS in all", _to_own_with_bos(own=1, moves=0), "*all* attention"),
        (
            "of all",
            _to_own(share=lambda a, b, total: a.sum((0, 2)) / total),
            "*all* attention",
        ),
        (
            "ended games",
            _to_own(count=lambda going: (torch.arange(going.shape[1]) > 0).expand_as(going)),
            "use `going`",
        ),
        ("all positions", _to_own(count=torch.ones_like), "use `going`"),
        ("position's parity", _to_own(own=lambda back, at: at % 2 == 1), "parity of the position"),
        ("without the last", _to_own(moves=lambda back, at: (back > 0) & (at > 0)), "left out"),
        (
            "mean of shares",
            _to_own(
                share=lambda a, b, total: (
                    torch.where(b > 0, a / b.clamp(min=1e-12), 0).sum((0, 2)) / total
                )
            ),
            "averaged shares",
        ),
        (
            "ratio",
            _to_own(share=lambda a, b, total: a.sum((0, 2)) / (b - a).sum((0, 2))),
            "ratio of own",
        ),
    ],
    "continuations_accepted": [
        ("all moves", _accepted(weights=lambda p, e: p), "does not accept"),
        ("each by itself", _accepted(so_far=False), "once a move has been refused"),
        ("exchanged", _accepted(swap=True), "after the second"),
        (
            "likeliest",
            _accepted(draw=lambda w, g: w.argmax(-1, keepdim=True)),
            "draw by probability",
        ),
        ("after the first", _accepted(test=lambda p, q, e: p > e), "*first* order"),
        ("not joined", _accepted(join=(False, False)), "not put at the end of both"),
        ("joined to the first", _accepted(join=(True, False)), "end of the second"),
        ("joined to the second", _accepted(join=(False, True)), "end of the first"),
        ("the token after", _accepted(shift=1), "one too high"),
        ("refused", _accepted(end=lambda found: ~found), "are exchanged"),
        ("likelier", _accepted(test=lambda p, q, e: q > p), "compare with `epsilon`"),
        ("alike", _accepted(weights=lambda p, e: (p > e).float()), "by their probabilities"),
        ("fixed", _accepted(test=lambda p, q, e: q > 0.01), "another number"),
        ("aliased", _accepted_aliased, "changed in place"),
        ("numbers", _accepted(end=lambda found: found.float()), "True and False"),
        (
            "global generator",
            _accepted(draw=lambda w, g: torch.multinomial(w, 1)),
            "global",
        ),
    ],
    "coverage": [
        ("one cut", _coverage(cut_of=lambda acts, cut: cut), "same for all latents"),
        ("largest of all", _coverage(cut_of=lambda acts, cut: cut * acts.max()), "*all* latents"),
        (
            "cut on the span",
            _coverage(cut_of=lambda acts, cut: acts.amin(0) + cut * (acts.amax(0) - acts.amin(0))),
            "share of the way",
        ),
        (
            "one cut for all facts",
            _coverage(over=lambda t: (f := t.amax(1))[f.mean(1).argmax()]),
            "One cut for all facts",
        ),
        (
            "one latent for all facts",
            _coverage(over=lambda t: (f := t.amax(0))[f.mean(1).argmax()]),
            "One latent for all facts",
        ),
        (
            "precision",
            _coverage(score=lambda hits, says, holds: hits / says.clamp(min=1)),
            "precision",
        ),
        ("recall", _coverage(score=lambda hits, says, holds: hits / holds), "recall"),
        ("half", _coverage(score=lambda hits, says, holds: hits / (says + holds)), "2 is missing"),
        ("mean", _coverage(over=lambda table: table.mean((0, 1))), "mean over latents"),
        ("last cut", _coverage(cuts_of=lambda cuts: cuts[-1:]), "last cut"),
        ("first cut", _coverage(cuts_of=lambda cuts: cuts[:1]), "first cut"),
        ("worst", _coverage(over=lambda table: table.amin((0, 1))), "worst"),
        ("one number", _coverage(end=lambda best: best.mean()), "each fact"),
        (
            "counted twice",
            _coverage(score=lambda hits, says, holds: 2 * hits / (2 * says + holds)),
            "counted twice",
        ),
    ],
}
RIGHT["fault"] = [
    ("a list", ["b3"]),
    ("a capital", ("B3",)),
    ("its number", (13,)),
    ("numpy's number", np.int64(13)),
    ("a tensor", torch.tensor(13)),
    ("a tensor in a tuple", (torch.tensor(13),)),
]
