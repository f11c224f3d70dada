"""Lesson 5.5: the library's version of each exercise, and plausible wrong answers."""

import copy
import math

import torch
import torch.nn.functional as F

# ---- Training -----------------------------------------------------------------------------------


def _share(logits, pairs):
    return (logits.argmax(1) == pairs.sum(1) % logits.shape[1]).float().mean().item()


def _loss(logits, pairs):
    return F.cross_entropy(logits.double(), pairs.sum(1) % logits.shape[1])


def _training(
    *,
    copied=True,
    kind=torch.optim.AdamW,
    decay=lambda d: {"weight_decay": d},
    betas=(0.9, 0.98),
    rate=lambda lr: {"lr": lr},
    on=lambda train, held_out: train,
    zero=True,
    more=0,
    first=0,
    swapped=False,
    steps_alone=False,
    back=lambda model, log: (model, log),
    still=False,
):
    def train_adder(model, train, held_out, *, steps, lr, weight_decay, every):
        model = copy.deepcopy(model) if copied else model
        options = {**rate(lr), **decay(weight_decay), "betas": betas}
        optimizer = kind(model.parameters(), **options)
        names = ("step", "train", "held_out", "train_loss", "held_out_loss")
        log = {name: [] for name in names}

        def measure(step):
            log["step"].append(step)
            with torch.no_grad():
                both = (held_out, train) if swapped else (train, held_out)
                for name, pairs in zip(("train", "held_out"), both, strict=True):
                    logits = model(pairs)
                    log[name].append(_share(logits, pairs))
                    log[f"{name}_loss"].append(_loss(logits, pairs).item())

        for step in range(steps + more):
            if step % every == 0 and not first:
                measure(step)
            if zero:
                optimizer.zero_grad()
            pairs = on(train, held_out)
            _loss(model(pairs), pairs).backward()
            if not still:
                optimizer.step()
            if first and step % every == 0:
                measure(step)
        if steps % every == 0 and not steps_alone:
            measure(steps)
        return back(model, log)

    return train_adder


def _training_by_evaluations(model, train, held_out, *, steps, lr, weight_decay, every):
    """A loop over evaluations, each with `every` steps after it; the optimizer is made in parts."""
    made = copy.deepcopy(model)
    groups = [{"params": list(made.parameters()), "weight_decay": weight_decay}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
    rows, done = [], 0
    while done <= steps:
        with torch.no_grad():
            here, there = made(train), made(held_out)
        losses = [float(_loss(here, train)), float(_loss(there, held_out))]
        rows.append([done, _share(here, train), _share(there, held_out), *losses])
        for _ in range(min(every, steps - done)):
            made.zero_grad()
            log_p = made(train).log_softmax(-1)
            right = train.sum(1) % log_p.shape[1]
            (-log_p[torch.arange(len(train)), right].mean()).backward()
            optimizer.step()
        done += every
    names = ("step", "train", "held_out", "train_loss", "held_out_loss")
    return made, {name: [row[i] for row in rows] for i, name in enumerate(names)}


# ---- Waves --------------------------------------------------------------------------------------


def _power(
    *,
    frequencies=lambda p: range(1, (p - 1) // 2 + 1),
    waves=("cos", "sin"),
    square=lambda parts: parts.square().sum(),
    unit=True,
    share=lambda power, vectors: power / power.sum(),
):
    def fourier_power(vectors):
        p = len(vectors)
        power = []
        for k in frequencies(p):
            turn = 2 * math.pi * k * torch.arange(p) / p
            rows = torch.stack([getattr(torch, wave)(turn) for wave in waves])
            if unit:
                rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-6)
            power.append(square(rows @ vectors))
        return share(torch.stack(power), vectors)

    return fourier_power


def _power_by_fft(vectors):
    spectrum = torch.fft.rfft(vectors, dim=0)[1:]
    power = (spectrum.real**2 + spectrum.imag**2).sum(1)
    return power / power.sum()


def _power_in_one(vectors):
    """A basis in one piece, on centred vectors."""
    p = len(vectors)
    angle = torch.outer(torch.arange(1, (p + 1) // 2), torch.arange(p)) * 2 * torch.pi / p
    centred = vectors - vectors.mean(0)
    power = ((angle.cos() @ centred) ** 2).sum(-1) + ((angle.sin() @ centred) ** 2).sum(-1)
    return power * 2 / p / (centred**2).sum()


def _waves(
    *,
    at_of=lambda at: at,
    sign=1,
    kinds=("cos", "sin"),
    constant=True,
    keep=False,
    ks=lambda ks: ks,
    end=lambda waves, logits, at: waves,
):
    def sum_waves(logits, frequencies, *, at):
        p = len(logits)
        total = torch.arange(p)[:, None] + sign * torch.arange(p)
        columns = [torch.ones(p, p)] if constant else []
        for k in ks(frequencies):
            columns += [getattr(torch, kind)(2 * torch.pi * k * total / p) for kind in kinds]
        design, chosen = torch.stack(columns, dim=-1), at_of(at)
        fitted = torch.linalg.pinv(design[chosen]) @ logits[chosen]
        first = int(constant and not keep)
        return end(design[..., first:] @ fitted[first:], logits, at)

    return sum_waves


def _waves_answer_by_answer(logits, frequencies, *, at):
    """One fit for each answer, on pairs in a row."""
    p = len(logits)
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    out = torch.zeros(p * p, p)
    rows = [torch.ones(p * p)]
    for k in frequencies:
        angle = 2 * math.pi * k * (pairs.sum(1) % p) / p
        rows += [torch.cos(angle), torch.sin(angle)]
    x, seen = torch.stack(rows, 1), at.reshape(-1)
    for c in range(p):
        y = logits.reshape(p * p, p)[:, c]
        beta = torch.linalg.lstsq(x[seen], y[seen, None]).solution[:, 0]
        out[:, c] = sum(beta[i] * x[:, i] for i in range(1, x.shape[1]))
    return out.reshape(p, p, p)


def _waves_of_means(logits, frequencies, *, at):
    """Weights on the pairs instead of a choice among them, by the normal equations."""
    p = len(logits)
    weight = at.reshape(-1, 1).float()
    total = (torch.arange(p)[:, None] + torch.arange(p)[None]).reshape(-1)
    x = torch.ones(p * p, 1)
    for k in list(frequencies):
        angle = 2 * torch.pi * k * total[:, None] / p
        x = torch.cat([x, angle.sin(), angle.cos()], dim=1)
    fitted = torch.linalg.solve(x.T @ (weight * x), x.T @ (weight * logits.reshape(p * p, p)))
    return torch.einsum("pk,kc->pc", x[:, 1:], fitted[1:]).reshape(logits.shape)


def _projected(logits, frequencies, *, at):
    p = len(logits)
    total = torch.arange(p)[:, None] + torch.arange(p)
    out = torch.zeros_like(logits)
    for k in frequencies:
        for wave in (torch.cos, torch.sin):
            w = wave(2 * torch.pi * k * total / p)
            w = w / w.norm()
            out += w[..., None] * torch.einsum("ab,abc->c", w * at, logits)
    return out


# ---- Two ways to add ----------------------------------------------------------------------------


def _symmetry(
    *,
    answer=lambda triples, p: triples[:, 2],
    whole=False,
    compare=lambda one, other: F.cosine_similarity(one, other, dim=-1),
    of=lambda x, slope: slope,
    end=lambda cosines: cosines,
):
    def gradient_symmetricity(model, triples):
        x = model.embed(triples[:, :2]).detach().requires_grad_(True)
        logits = model.from_embeddings(x)
        chosen = logits if whole else logits.gather(1, answer(triples, model.p)[:, None])
        chosen.sum().backward(inputs=[x])
        slope = of(x.detach(), x.grad)
        return end(compare(slope[:, 0], slope[:, 1]))

    return gradient_symmetricity


def _symmetry_one_by_one(model, triples):
    """A loop over triples, with one gradient for each of the two numbers."""
    out = []
    for a, b, c in triples.tolist():
        both = model.embed(torch.tensor([[a, b]])).detach()[0]
        one, other = both[0].clone().requires_grad_(), both[1].clone().requires_grad_()
        logit = model.from_embeddings(torch.stack([one, other])[None])[0, c]
        g, h = torch.autograd.grad(logit, [one, other])
        out.append((g @ h / g.norm() / h.norm()).item())
    return torch.tensor(out)


def _symmetry_by_func(model, triples):
    def logit(x, c):
        return model.from_embeddings(x[None])[0].gather(0, c[None])[0]

    x = model.embed(triples[:, :2]).detach()
    slope = torch.stack([torch.func.grad(logit)(x[i], triples[i, 2]) for i in range(len(x))])
    unit = slope / slope.norm(dim=-1, keepdim=True)
    return (unit[:, 0] * unit[:, 1]).sum(-1)


def _distance(
    *,
    group=lambda a, b, p: (a - b) % p,
    answer=lambda a, b, p: (a + b) % p,
    correction=0,
    spread=torch.std,
    end=lambda within, whole, logits: within / whole,
):
    def distance_irrelevance(logits):
        p = len(logits)
        a, b = torch.cartesian_prod(torch.arange(p), torch.arange(p)).T
        right, key = logits[a, b, answer(a, b, p)], group(a, b, p)
        rows = [right[key == value] for value in key.unique()]
        rows = [spread(row, correction=correction) for row in rows if len(row) > correction]
        return end(torch.stack(rows).mean(), spread(right, correction=correction), logits).item()

    return distance_irrelevance


def _distance_by_rolls(logits):
    """Row s of the table holds the pairs whose distance is s; a float64 at the end."""
    p = len(logits)
    b = torch.arange(p)
    rows = torch.stack([logits[(s + b) % p, b, (s + 2 * b) % p] for s in range(p)]).double()
    return float(rows.std(dim=1, unbiased=False).mean() / rows.std(unbiased=False))


def _distance_in_loops(logits):
    p, within, every = len(logits), [], []
    for d in range(p):
        row = [float(logits[a, (a - d) % p, (2 * a - d) % p]) for a in range(p)]
        mean = sum(row) / p
        within.append((sum((x - mean) ** 2 for x in row) / p) ** 0.5)
        every += row
    mean = sum(every) / len(every)
    whole = (sum((x - mean) ** 2 for x in every) / len(every)) ** 0.5
    return torch.tensor(sum(within) / p / whole)


def _of_nothing(model, log):
    return log


MISTAKES = {
    "train_adder": [
        ("the network itself", _training(copied=False), "work on a copy"),
        ("no decay", _training(decay=lambda d: {"weight_decay": 0.0}), "no weight decay"),
        ("AdamW's own decay", _training(decay=lambda d: {}), "default"),
        ("Adam", _training(kind=torch.optim.Adam), "take AdamW"),
        ("default betas", _training(betas=(0.9, 0.999)), "betas"),
        ("no lr", _training(rate=lambda lr: {}), "give it `lr`"),
        ("adds up", _training(zero=False), "zero"),
        ("one more", _training(more=1), "too many"),
        ("one less", _training(more=-1), "too few"),
        ("on all", _training(on=lambda t, h: torch.cat([t, h])), "All pairs are trained on"),
        ("on the others", _training(on=lambda t, h: h), "held-out pairs are trained on"),
        ("after the step", _training(first=1), "measure before"),
        ("no last row", _training(steps_alone=True), "measure after"),
        ("swapped", _training(swapped=True), "changed places"),
        ("the columns alone", _training(back=_of_nothing), "two things"),
        ("no step", _training(still=True), "not changed"),
    ],
    "fourier_power": [
        ("from 0", _power(frequencies=lambda p: range((p - 1) // 2 + 1)), "begin at 1"),
        ("to p - 1", _power(frequencies=lambda p: range(1, p)), "stop there"),
        ("one short", _power(frequencies=lambda p: range(1, (p - 1) // 2)), "last frequency"),
        ("cosines", _power(waves=("cos",)), "Only the cosine"),
        ("sines", _power(waves=("sin",)), "Only the sine"),
        ("no share", _power(share=lambda power, v: power), "divide by its sum"),
        ("no share, not unit", _power(unit=False, share=lambda power, v: power), "by the sum"),
        ("largest is 1", _power(share=lambda power, v: power / power.max()), "largest share"),
        (
            "of everything",
            _power(share=lambda power, v: power / v.square().sum()),
            "The constant counts",
        ),
        (
            "sizes",
            lambda v: (lambda s: s / s.sum())(torch.fft.rfft(v, dim=0)[1:].abs().sum(1)),
            "sizes",
        ),
    ],
    "sum_waves": [
        ("all pairs", _waves(at_of=torch.ones_like), "all pairs"),
        ("difference", _waves(sign=-1), "difference"),
        ("cosines", _waves(kinds=("cos",)), "add the sines"),
        ("sines", _waves(kinds=("sin",)), "add the cosines"),
        ("no constant", _waves(constant=False), "no constant"),
        ("constant kept", _waves(keep=True), "constant is still"),
        ("the rest", _waves(end=lambda w, logits, at: logits - w), "left over"),
        ("inside alone", _waves(end=lambda w, logits, at: w * at[..., None]), "outside `at`"),
        ("first alone", _waves(ks=lambda ks: ks[:1]), "first frequency"),
        ("projected", _projected, "right angles"),
    ],
    "gradient_symmetricity": [
        ("mean", _symmetry(end=lambda c: c.mean()), "one cosine for each"),
        ("all logits", _symmetry(whole=True), "all logits"),
        ("right sum", _symmetry(answer=lambda t, p: t[:, :2].sum(1) % p), "third number"),
        ("dot", _symmetry(compare=lambda a, b: (a * b).sum(-1)), "both lengths"),
        ("embeddings", _symmetry(of=lambda x, slope: x), "two embeddings"),
        ("itself", _symmetry(of=lambda x, slope: slope[:, :1].expand(-1, 2, -1)), "itself"),
        (
            "one for all",
            _symmetry(compare=lambda a, b: F.cosine_similarity(a.flatten(), b.flatten(), dim=0)),
            "over all triples",
        ),
    ],
    "distance_irrelevance": [
        ("by sum", _distance(group=lambda a, b, p: (a + b) % p), "by their sum"),
        ("no modulus", _distance(group=lambda a, b, p: a - b), "modulo p"),
        ("absolute", _distance(group=lambda a, b, p: (a - b).abs()), "absolute"),
        ("by a", _distance(group=lambda a, b, p: a), "first number"),
        ("n - 1", _distance(correction=1), "n - 1"),
        ("variances", _distance(spread=torch.var), "variances"),
        ("turned over", _distance(end=lambda w, s, x: s / w), "other way round"),
        ("1 less", _distance(end=lambda w, s, x: 1 - w / s), "1 less it"),
        ("all logits", _distance(end=lambda w, s, x: w / x.std(correction=0)), "all logits"),
        ("not divided", _distance(end=lambda w, s, x: w), "did not divide"),
        ("difference", _distance(answer=lambda a, b, p: (a - b) % p), "another answer"),
    ],
    "needed": [
        ("one missing", {1, 3, 26}, "1 more"),
        ("one too many", {1, 3, 7, 26, 5}, "without any loss"),
        ("a whole group", {1, 2, 3, 4, 5}, "without any loss"),
        ("the other half", {58, 3, 7, 26}, "same waves"),
        ("a number", 26, "set of whole numbers"),
        ("words", ["1", "3"], "set of whole numbers"),
    ],
}

RIGHT = {
    "train_adder": [
        ("one loop", _training()),
        ("by evaluations", _training_by_evaluations),
        ("a list", _training(back=lambda model, log: [model, log])),
    ],
    "fourier_power": [
        ("waves", _power()),
        ("fft", _power_by_fft),
        ("one basis", _power_in_one),
    ],
    "sum_waves": [
        ("pinv", _waves()),
        ("answer by answer", _waves_answer_by_answer),
        ("weights", _waves_of_means),
    ],
    "gradient_symmetricity": [
        ("backward", _symmetry()),
        ("one by one", _symmetry_one_by_one),
        ("functions", _symmetry_by_func),
    ],
    "distance_irrelevance": [
        ("masks", _distance()),
        ("rolls", _distance_by_rolls),
        ("loops", _distance_in_loops),
    ],
    "needed": [("a list", [26, 7, 3, 1]), ("a tuple", (1, 3, 7, 26))],
}
