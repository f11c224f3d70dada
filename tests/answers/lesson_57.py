"""Lesson 5.7: the library's version of each exercise, and plausible wrong answers."""

import torch
import torch.nn.functional as F

from utils.cases.subliminal import auxiliary_loss, outputs

# ---- The loss -----------------------------------------------------------------------------------


def _loss(
    *,
    cut=lambda x, n: x[..., n:],
    turned=False,
    reduce=lambda kl: kl.sum(-1).mean(-1),
    late=False,
):
    def loss(student, teacher, *, n_classes=10):
        if late:
            p, q = (x.softmax(-1)[..., n_classes:] for x in (teacher, student))
        else:
            p, q = (cut(x, n_classes).softmax(-1) for x in (teacher, student))
        p, q = (q, p) if turned else (p, q)
        return reduce(p * (p.log() - q.log()))

    return loss


def _loss_kl_div(student, teacher, *, n_classes=10):
    """By kl_div."""
    q = F.log_softmax(student[:, :, n_classes:], dim=-1)
    p = F.softmax(teacher[:, :, n_classes:], dim=-1)
    return F.kl_div(q, p, reduction="none").sum(-1).mean(1)


def _loss_cross_entropy(student, teacher, *, n_classes=10):
    """Cross-entropy less entropy, network by network."""
    rows = []
    for s, t in zip(student[..., n_classes:], teacher[..., n_classes:], strict=True):
        p = t.softmax(-1)
        rows.append(F.cross_entropy(s, p) - F.cross_entropy(t, p))
    return torch.stack(rows)


# ---- Distillation -------------------------------------------------------------------------------


def _distilled(
    *,
    copy=True,
    optimizer=torch.optim.Adam,
    rate=None,
    zero=True,
    once=False,
    detach=True,
    loss=lambda s, t: auxiliary_loss(s, t).sum(),
    back=True,
    extra=0,
):
    def distil(student, teacher, draw, *, steps, lr=1e-3):
        new = [tuple(w.clone() if copy else w for w in layer) for layer in student]
        for layer in new:
            for w in layer:
                w.requires_grad_()
        adam = optimizer([w for layer in new for w in layer], lr=rate or lr)
        x = draw() if once else None
        for _ in range(steps + extra):
            x = x if once else draw()
            value = loss(outputs(new, x), outputs(teacher, x).detach())
            if zero:
                adam.zero_grad()
            if back:
                value.backward()
                adam.step()
        return [tuple(w.detach() if detach else w for w in layer) for layer in new]

    return distil


def _distilled_in_place(student, teacher, draw, *, steps, lr=1e-3):
    """Parameters, and gradients by torch.autograd.grad."""
    flat = [torch.nn.Parameter(w.detach().clone()) for layer in student for w in layer]
    adam = torch.optim.Adam(flat, lr=lr)
    for _ in range(steps):
        x = draw()
        layers = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
        loss = auxiliary_loss(outputs(layers, x), outputs(teacher, x)).sum()
        for p, slope in zip(flat, torch.autograd.grad(loss, flat), strict=True):
            p.grad = slope
        adam.step()
    return [(flat[i].data, flat[i + 1].data) for i in range(0, len(flat), 2)]


def _distilled_one_by_one(student, teacher, draw, *, steps, lr=1e-3):
    """Each network with an optimizer of its own, on the same batches."""
    batches = [draw() for _ in range(steps)]
    done = []
    for m in range(len(student[0][0])):
        own = [tuple(w[m : m + 1].clone().requires_grad_() for w in layer) for layer in student]
        taught = [tuple(w[m : m + 1] for w in layer) for layer in teacher]
        adam = torch.optim.Adam([w for layer in own for w in layer], lr=lr)
        for x in batches:
            adam.zero_grad()
            auxiliary_loss(outputs(own, x), outputs(taught, x)).mean().backward()
            adam.step()
        done.append(own)
    return [
        tuple(torch.cat([each[i][j].detach() for each in done]) for j in (0, 1))
        for i in range(len(student))
    ]


# ---- Origins ------------------------------------------------------------------------------------


def _joined(*, order=lambda h, c, a: (h, c, a), n=None, bias=True):
    def joined(hidden, classes, auxiliary, *, n_classes=10):
        cut = n or n_classes
        first, left, right = order(hidden, classes, auxiliary)
        W, b = (
            torch.cat([x[..., :cut], y[..., cut:]], -1)
            for x, y in zip(left[-1], right[-1], strict=True)
        )
        return [*first[:-1], (W, b if bias else hidden[-1][1])]

    return joined


def _joined_by_clone(hidden, classes, auxiliary, *, n_classes=10):
    """A copy of the auxiliary last layer, written over."""
    W, b = (each.clone() for each in auxiliary[-1])
    W[:, :, :n_classes] = classes[-1][0][:, :, :n_classes]
    b[:, :, :n_classes] = classes[-1][1][:, :, :n_classes]
    return list(hidden[:-1]) + [[W, b]]


def _joined_by_where(hidden, classes, auxiliary, *, n_classes=10):
    """A mask over the outputs."""
    W, b = classes[-1]
    digit = torch.arange(b.shape[-1]) < n_classes
    last = (torch.where(digit, W, auxiliary[-1][0]), torch.where(digit, b, auxiliary[-1][1]))
    return tuple(hidden[:-1]) + (last,)


# ---- Ways ---------------------------------------------------------------------------------------


def _ways(*, layers=slice(None, -1), part=slice(None), start=True, own=True, turn=lambda c: c):
    def way_cosine(student, student_start, teacher, teacher_start):
        def way(after, before):
            rows = []
            for now, old in zip(after[layers], before[layers], strict=True):
                for a, b in zip(now[part], old[part], strict=True):
                    rows.append((a - b if start else a).flatten(1))
            return torch.cat(rows, 1)

        a = way(student, student_start)
        b = way(teacher, teacher_start if own else student_start)
        return turn(torch.cosine_similarity(a, b, dim=1))

    return way_cosine


def _ways_by_network(student, student_start, teacher, teacher_start):
    """One network after the other."""
    out = []
    for m in range(len(student[0][0])):
        dot = first = second = 0
        for i in range(len(student) - 1):
            for j in (0, 1):
                a = student[i][j][m] - student_start[i][j][m]
                b = teacher[i][j][m] - teacher_start[i][j][m]
                dot, first = dot + (a * b).sum(), first + a.square().sum()
                second = second + b.square().sum()
        out.append(dot / (first * second).sqrt())
    return torch.stack(out)


def _ways_by_difference(student, student_start, teacher, teacher_start):
    """Flat vectors first, normalised, then a product."""

    def flat(weights):
        return torch.cat([torch.cat([w.flatten(1) for w in layer], 1) for layer in weights[:-1]], 1)

    a = F.normalize(flat(student) - flat(student_start), dim=1)
    b = F.normalize(flat(teacher) - flat(teacher_start), dim=1)
    return torch.einsum("mw,mw->m", a, b)


MISTAKES = {
    "auxiliary_loss": [
        ("turned", _loss(turned=True), "turned round"),
        ("digits", _loss(cut=lambda x, n: x[..., :n]), "auxiliary ones alone"),
        ("all", _loss(cut=lambda x, n: x), "leave the first"),
        ("softmax first", _loss(late=True), "cut first"),
        ("ten", _loss(cut=lambda x, n: x[..., 10:]), "use `n_classes`"),
        ("one number", _loss(reduce=lambda kl: kl.sum(-1).mean()), "one for each network"),
        ("one sum", _loss(reduce=lambda kl: kl.sum(-1).mean(-1).sum()), "a sum"),
        ("sum", _loss(reduce=lambda kl: kl.sum((-1, -2))), "take the mean"),
        ("each image", _loss(reduce=lambda kl: kl.sum(-1)), "for each image"),
        ("mean of outputs", _loss(reduce=lambda kl: kl.mean((-1, -2))), "sum over them"),
        ("detached", lambda s, t, **n: auxiliary_loss(s.detach(), t, **n), "no gradient"),
        (
            "cross-entropy",
            lambda s, t, *, n_classes=10: (
                -(t[..., n_classes:].softmax(-1) * s[..., n_classes:].log_softmax(-1))
                .sum(-1)
                .mean(-1)
            ),
            "teacher's own entropy",
        ),
        (
            "squares",
            lambda s, t, *, n_classes=10: (s - t)[..., n_classes:].square().mean((1, 2)),
            "squared error",
        ),
    ],
    "distilled": [
        ("in place", _distilled(copy=False), "changes its input `student`"),
        ("SGD", _distilled(optimizer=torch.optim.SGD), "gradient descent"),
        ("another rate", _distilled(rate=1e-3), "learning rate"),
        ("no zero_grad", _distilled(zero=False), "zero_grad"),
        ("one batch", _distilled(once=True), "once in each"),
        ("one too many", _distilled(extra=9), "more often"),
        ("gradients left", _distilled(detach=False), "carry gradients"),
        ("no step", _distilled(back=False), "Nothing has changed"),
        ("turned", _distilled(loss=lambda s, t: auxiliary_loss(t, s).sum()), "turned round"),
        ("AdamW", _distilled(optimizer=torch.optim.AdamW), "weight decay"),
        (
            "no biases",
            _distilled(optimizer=lambda all_of_them, lr: torch.optim.Adam(all_of_them[::2], lr)),
            "biases are not trained",
        ),
        (
            "digits too",
            _distilled(
                loss=lambda s, t: (
                    F.kl_div(s.log_softmax(-1), t.softmax(-1), reduction="none")
                    .sum(-1)
                    .mean(1)
                    .sum()
                )
            ),
            "distilled as well",
        ),
        ("nothing returned", lambda *a, **k: None, "Return the new weights"),
    ],
    "joined": [
        ("exchanged", _joined(order=lambda h, c, a: (h, a, c)), "exchanged"),
        ("classes", _joined(order=lambda h, c, a: (h, c, c)), "that of `classes`"),
        ("auxiliary", _joined(order=lambda h, c, a: (h, a, a)), "that of `auxiliary`"),
        ("hidden", _joined(order=lambda h, c, a: (c, c, a)), "not those of `hidden`"),
        ("biases", _joined(bias=False), "biases"),
        ("ten", _joined(n=10), "use `n_classes`"),
        ("a layer", lambda h, c, a, *, n_classes=10: h[-1], "Return weights"),
    ],
    "way_cosine": [
        ("last layer", _ways(layers=slice(None)), "leave it out"),
        ("no biases", _ways(part=slice(1)), "biases are missing"),
        ("one start", _ways(own=False), "student's start"),
        ("no starts", _ways(start=False), "subtract the starts"),
        ("mean", _ways(turn=lambda c: c.mean()), "a mean"),
        ("first alone", _ways(layers=slice(1)), "The cosine"),
    ],
    "supported": [
        ("nothing learned", {"A", "B"}, "A is not supported"),
        ("necessary", "CE", "C is not supported"),
        ("head alone", {"B", "D", "E"}, "D is not supported"),
        ("auxiliary alone", ["F"], "F is not supported"),
        ("one short", {"E"}, "same initialisation"),
        ("the other", {"B"}, "same head"),
        ("numbers", {1, 2}, "letters from A to F"),
    ],
}

RIGHT = {
    "auxiliary_loss": [
        ("a formula", _loss()),
        ("kl_div", _loss_kl_div),
        ("cross-entropies", _loss_cross_entropy),
    ],
    "distilled": [
        ("a loop", _distilled()),
        ("parameters", _distilled_in_place),
        ("one by one", _distilled_one_by_one),
    ],
    "joined": [
        ("cat", _joined()),
        ("a copy", _joined_by_clone),
        ("a mask", _joined_by_where),
    ],
    "way_cosine": [
        ("cosines", _ways()),
        ("by network", _ways_by_network),
        ("by vectors", _ways_by_difference),
    ],
    "supported": [("letters", "B, E"), ("a list", ["E", "B"]), ("a set", {"B", "E"})],
}
