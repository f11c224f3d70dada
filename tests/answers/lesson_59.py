"""Lesson 5.9: the library's version of each exercise, and plausible wrong answers."""

import torch
from torch.nn import functional as F

from utils.steering import steer

# ---- Injection ----------------------------------------------------------------------------------


def _shifts(
    *,
    add=lambda resid, vectors: resid + vectors[:, None],
    kind="pre",
    of=lambda logits: logits[:, -1],
    sign=1,
    plain=1.0,
    turn=lambda shifts: shifts,
):
    def yes_shifts(model, questions, vectors, *, layer, yes, no):
        found = []
        for question in questions:
            rows = question.repeat(len(vectors), 1)
            hooks = [(f"blocks.{layer}.hook_resid_{kind}", lambda resid, hook: add(resid, vectors))]
            with torch.no_grad():
                before = of(model(rows))
                after = of(model.run_with_hooks(rows, fwd_hooks=hooks))
            answers = [each[:, yes] - each[:, no] for each in (after, before)]
            found.append(sign * (answers[0] - plain * answers[1]))
        return turn(torch.stack(found, dim=1))

    return yes_shifts


def _shifts_steered(model, questions, vectors, *, layer, yes, no):
    """With `steer`, one vector at a time."""
    out = torch.zeros(len(vectors), len(questions))
    for j, question in enumerate(questions):
        with torch.no_grad():
            base = model(question[None])[0, -1]
            for i, vector in enumerate(vectors):
                with steer(model, vector, layer=layer):
                    logits = model(question[None])[0, -1]
                out[i, j] = (logits - base)[yes] - (logits - base)[no]
    return out


def _at_last(resid, vectors):
    resid = resid.clone()
    resid[:, -1] += vectors
    return resid


def _leaves_hooks(model, questions, vectors, *, layer, yes, no):
    found = _shifts()(model, questions, vectors, layer=layer, yes=yes, no=no)
    model.add_hook(f"blocks.{layer}.hook_resid_pre", lambda resid, hook: resid)
    return found


# ---- Patchscopes --------------------------------------------------------------------------------


def _scope(
    *, take=-1, at=lambda position: position, kind="pre", read=-1, turn=lambda x: x, back=True
):
    def patchscope(model, sources, target, *, position, layers):
        out = []
        for layer in layers:
            name = f"blocks.{layer}.hook_resid_{kind}"
            vectors = []
            with torch.no_grad():
                for source in sources:
                    _, cache = model.run_with_cache(source[None])
                    vectors.append(cache[name][0, take])
                vectors = torch.stack(vectors)

                def put(resid, hook, vectors=vectors):
                    new = resid.clone()
                    new[:, at(position)] = (
                        vectors if isinstance(at(position), int) else vectors[:, None]
                    )
                    return new if back else None

                rows = target.repeat(len(sources), 1)
                logits = model.run_with_hooks(rows, fwd_hooks=[(name, put)])
            out.append(logits[:, read].argmax(-1))
        return turn(torch.stack(out))

    return patchscope


def _scope_with_context(model, sources, target, *, position, layers):
    """Kept by a hook, put in with `model.hooks`."""
    said = []
    for layer in layers:
        name, row = f"blocks.{layer}.hook_resid_pre", []
        for source in sources:
            kept = []
            with torch.no_grad():
                hook = (name, lambda resid, hook, kept=kept: kept.append(resid[0, -1].clone()))
                model.run_with_hooks(source[None], fwd_hooks=[hook])

                def put(resid, hook, kept=kept):
                    resid[:, position] = kept[0]
                    return resid

                with model.hooks(fwd_hooks=[(name, put)]):
                    row.append(int(model(target[None])[0, -1].argmax()))
        said.append(row)
    return torch.tensor(said)


# ---- Distributed alignment search ---------------------------------------------------------------


def _found(*, how="right", each=True, last=lambda raw: torch.linalg.qr(raw).Q.detach()):
    def find_subspace(low, high, draw, *, width, rank, steps, lr, generator):
        raw = torch.randn(width, rank, generator=generator, requires_grad=True)
        adam = torch.optim.Adam([raw], lr=lr)
        pairs = draw() if not each else None
        for _ in range(steps):
            some = draw() if each else pairs
            basis, _ = torch.linalg.qr(raw)
            one, two = low(some.base), low(some.source)
            if how == "exchanged":
                one, two = two, one
            swap = torch.einsum("pd,dk,ek->pe", two - one, basis, basis)
            label = some.before if how == "before" else some.label
            hidden = one + swap
            if how == "complement":
                hidden = two - swap
            if how == "added":
                hidden = one + torch.einsum("pd,dk,ek->pe", two, basis, basis)
            logits = high(hidden)
            loss = F.nll_loss(logits.log_softmax(-1), label)
            adam.zero_grad()
            (-loss if how == "up" else loss).backward()
            if how != "still":
                adam.step()
        return last(raw)

    return find_subspace


def _found_in_parts(low, high, draw, *, width, rank, steps, lr, generator):
    """The base outside of the subspace plus the source inside it; a Parameter."""
    weight = torch.nn.Parameter(torch.randn(width, rank, generator=generator))
    adam = torch.optim.Adam([{"params": [weight], "lr": lr}])
    for _ in range(steps):
        pairs = draw()
        Q = torch.linalg.qr(weight)[0]
        inside = Q @ Q.T
        outside = torch.eye(width) - inside
        mixed = low(pairs.base) @ outside + low(pairs.source) @ inside
        adam.zero_grad(set_to_none=True)
        torch.nn.CrossEntropyLoss()(high(mixed), pairs.label).backward()
        adam.step()
    with torch.no_grad():
        return torch.linalg.qr(weight)[0]


# ---- The search for tokens ----------------------------------------------------------------------


def _climbed(
    *, sign=1, keep=True, shared=False, score_of="true", at="now", against="now", stops=False
):
    def climb(excite, start, embed, *, steps, candidates, best, generator):
        now = start.clone()
        first = value = excite(embed[now].unsqueeze(0)).item()
        for _ in range(steps):
            leaf = embed[now if at == "now" else start].clone().requires_grad_(True)
            excite(leaf.unsqueeze(0)).sum().backward()
            gain = sign * leaf.grad @ embed.T
            if shared:
                gain = gain.mean(0, keepdim=True).expand_as(gain)
            options = gain.argsort(dim=1, descending=True)[:, :best]
            rows = []
            for _ in range(candidates):
                row = now.clone()
                p = int(torch.randint(len(now), (1,), generator=generator))
                row[p] = options[p, int(torch.randint(best, (1,), generator=generator))]
                rows.append(row)
            scores = excite(embed[torch.stack(rows)])
            top = int(scores.argmax())
            if not keep or scores[top] > (value if against == "now" else first):
                now, value = rows[top], float(scores[top])
            elif stops:
                break
        return now, value + (0 if score_of == "true" else 1.0)

    return climb


def _climbed_in_place(excite, start, embed, *, steps, candidates, best, generator):
    found = _climbed()(
        excite, start, embed, steps=steps, candidates=candidates, best=best, generator=generator
    )
    start.copy_(found[0])
    return found


def _tries_all(excite, start, embed, *, steps, candidates, best, generator):
    """Every exchange is run, and the best one taken."""
    now, value = start.clone(), excite(embed[start][None])[0].item()
    for _ in range(steps):
        rows = now.repeat(len(now) * len(embed), 1)
        place = torch.arange(len(now)).repeat_interleave(len(embed))
        rows[torch.arange(len(rows)), place] = torch.arange(len(embed)).repeat(len(now))
        scores = excite(embed[rows])
        if scores.max() > value:
            now, value = rows[scores.argmax()], scores.max().item()
    return now, value


def _random_search(excite, start, embed, *, steps, candidates, best, generator):
    now, value = start.clone(), excite(embed[start][None])[0].item()
    for _ in range(steps):
        rows = now.repeat(candidates, 1)
        place = torch.randint(len(now), (candidates,), generator=generator)
        rows[torch.arange(candidates), place] = torch.randint(
            len(embed), (candidates,), generator=generator
        )
        scores = excite(embed[rows])
        if scores.max() > value:
            now, value = rows[scores.argmax()], scores.max().item()
    return now, value


def _climbed_scored_by_tensor(excite, start, embed, **settings):
    tokens, score = _climbed()(excite, start, embed, **settings)
    return tokens, torch.tensor(score)


# ---- The sheet ----------------------------------------------------------------------------------

SHEET = [
    (False, "groups"),
    (True, "fresh"),
    (True, "parts"),
    (False, "constant"),
    (True, "groups"),
    (False, "parts"),
    (True, "constant"),
    (False, "fresh"),
]

MISTAKES = {
    "yes_shifts": [
        ("plain answer kept", _shifts(plain=0.0), "subtract the answer without"),
        ("sign", _shifts(sign=-1), "The sign"),
        ("last position", _shifts(add=_at_last), "last position alone"),
        ("after the block", _shifts(kind="post"), "after the block"),
        ("transposed", _shifts(turn=lambda x: x.T), "other way round"),
        (
            "unit length",
            _shifts(add=lambda r, v: r + (v / v.norm(dim=1, keepdim=True))[:, None]),
            "lost its length",
        ),
        ("replaced", _shifts(add=lambda r, v: 0 * r + v[:, None]), "in the stream's place"),
        ("first position", _shifts(of=lambda logits: logits[:, 0]), "at the first position"),
        (
            "probabilities",
            _shifts(of=lambda logits: logits[:, -1].softmax(-1)),
            "of probabilities",
        ),
        ("nothing returned", _shifts(add=lambda r, v: None), "Nothing has changed"),
        ("mean", _shifts(turn=lambda x: x.mean(1)), "mean over questions"),
        ("hook left", _leaves_hooks, "hook"),
    ],
    "patchscope": [
        ("first token", _scope(take=0), "first token"),
        ("last position", _scope(at=lambda position: -1), "target's last position"),
        ("all positions", _scope(at=lambda position: slice(None)), "all positions"),
        ("after blocks", _scope(kind="post"), "after the blocks"),
        ("read at the place", _scope(read=2), "at `position`"),
        ("transposed", _scope(turn=lambda x: x.T), "other way round"),
        ("nothing returned", _scope(back=False), "nothing were patched"),
    ],
    "find_subspace": [
        ("same pairs", _found(each=False), "same pairs"),
        ("exchanged", _found(how="exchanged"), "exchanged"),
        ("complement", _found(how="complement"), "exchanged"),
        ("added", _found(how="added"), "has to go"),
        ("labels of the base", _found(how="before"), "those of the base"),
        ("uphill", _found(how="up"), "loss grew"),
        ("no step", _found(how="still"), "at the start"),
        ("not orthonormal", _found(last=lambda raw: raw.detach()), "not orthonormal"),
        ("with a gradient", _found(last=lambda raw: torch.linalg.qr(raw).Q), "detach"),
    ],
    "climb": [
        ("downhill", _climbed(sign=-1), "exchanged"),
        ("always taken", _climbed(keep=False), "lower than it began"),
        ("one estimate for all", _climbed(shared=True), "each position"),
        ("another score", _climbed(score_of="other"), "true score"),
        ("in place", _climbed_in_place, "copy"),
        ("the start's gradient", _climbed(at="start"), "still that of the start"),
        ("the start's score", _climbed(against="start"), "than"),
        ("stops", _climbed(stops=True), "once a step"),
        ("no gradient", _tries_all, "No gradient"),
        ("no gradient", _random_search, "gradient"),
    ],
    "deciding": [
        ("a new split", ("A",), "how easy"),
        ("binomial", ("B",), "independent"),
        ("a larger probe", "D", "any"),
        ("two", ("A", "C"), "one letter"),
        ("two in one text", ("AB",), "one letter"),
        ("empty", ("",), "one letter"),
    ],
    "sheet": [
        ("always fake", [(False, name) for _, name in SHEET], "4 of the verdicts"),
        ("always real", [(True, name) for _, name in SHEET], "4 of the verdicts"),
        ("one control", [(real, "fresh") for real, _ in SHEET], "6 of the results"),
        ("too short", SHEET[:7], "eight rows"),
        ("other names", [(real, "random") for real, _ in SHEET], "control's name"),
    ],
}

RIGHT = {
    "yes_shifts": [("a batch for both", _shifts()), ("steer, one at a time", _shifts_steered)],
    "patchscope": [("a batch of sources", _scope()), ("model.hooks, lists", _scope_with_context)],
    "find_subspace": [("einsum", _found()), ("in parts", _found_in_parts)],
    "climb": [("row by row", _climbed()), ("a tensor as score", _climbed_scored_by_tensor)],
    "deciding": [("a letter", "C"), ("a list", ["C"]), ("small", ("c",))],
    "sheet": [
        ("lists", [list(row) for row in SHEET]),
        ("numbers", [(int(r), n) for r, n in SHEET]),
        ("new subjects", [(r, "groups" if n == "fresh" else n) for r, n in SHEET]),
    ],
}
