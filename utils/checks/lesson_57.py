"""Checks of lesson 5.7, subliminal learning."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described

Weights = Sequence[Sequence[Tensor]]
_SIZES = ((4, 5, 13), (3, 6, 4, 14))


def _networks(seed: int, sizes, n: int) -> Weights:
    random = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, a, b, generator=random), torch.randn(n, 1, b, generator=random))
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]


def _outputs(weights: Weights, x: Tensor) -> Tensor:
    for i, (W, b) in enumerate(weights):
        x = torch.einsum("...bi,mio->mbo", x, W) if i == 0 else torch.einsum("mbi,mio->mbo", x, W)
        x = x + b
        x = x.clamp(min=0) if i < len(weights) - 1 else x
    return x


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return F.kl_div(q.log_softmax(-1), p.softmax(-1), reduction="none").sum(-1)


# ---- The loss -----------------------------------------------------------------------------------


@exercise("utils.cases.subliminal.auxiliary_loss")
def check_auxiliary_loss(auxiliary_loss) -> str:
    """Three networks, with ten classes and with another number."""
    for seed, n_classes in ((0, 10), (1, 4)):
        random = torch.Generator().manual_seed(seed)
        student, teacher = (2 * torch.randn(3, 6, 15, generator=random) for _ in range(2))
        student.requires_grad_()
        got = auxiliary_loss(student, teacher, n_classes=n_classes)
        s, t = student[..., n_classes:], teacher[..., n_classes:]
        each = _kl(t, s)

        def cut(logits, n_classes=n_classes):
            return logits.softmax(-1)[..., n_classes:]

        match(
            got,
            each.mean(1),
            what="The loss",
            mistakes={
                "The divergence is turned round: the teacher's distribution comes first.": _kl(
                    s, t
                ).mean(1),
                "The digits' outputs are used, and the student should see the auxiliary ones "
                "alone.": _kl(teacher[..., :n_classes], student[..., :n_classes]).mean(1),
                "All outputs are used: leave the first `n_classes` out.": _kl(
                    teacher, student
                ).mean(1),
                "The softmax runs over all outputs: cut first, then take it over the auxiliary "
                "ones alone.": (cut(teacher) * (cut(teacher) / cut(student)).log()).sum(-1).mean(1),
                "The number of classes is fixed at 10: use `n_classes`.": _kl(
                    teacher[..., 10:], student[..., 10:]
                ).mean(1),
                "One number came back: give one for each network.": each.mean(),
                "One number came back, a sum: give the mean for each network.": each.mean(1).sum(),
                "The sum over the batch: take the mean.": each.sum(1),
                "A number for each image: take the mean over the batch.": each,
                "That is the cross-entropy: the teacher's own entropy is still in it.": (
                    -(t.softmax(-1) * s.log_softmax(-1)).sum(-1).mean(1)
                ),
                "The mean over outputs: a divergence is a sum over them.": each.mean(1)
                / s.shape[-1],
                "That is a squared error: compare distributions, by their divergence.": (s - t)
                .square()
                .mean((1, 2)),
            },
        )
    return "The distance of two distributions over outputs that mean nothing."


# ---- Distillation -------------------------------------------------------------------------------


def _by_hand(
    student: Weights,
    teacher: Weights,
    batches: list[Tensor],
    *,
    lr: float,
    share: float = 1.0,
    classes=slice(10, None),
    sgd: bool = False,
    turned: bool = False,
    decay: float = 0.0,
    biases: bool = True,
) -> Weights:
    """Adam by its formulas, of the summed losses."""
    weights = [w.double().clone().requires_grad_() for layer in student for w in layer]
    wanted = [tuple(w.double() for w in layer) for layer in teacher]
    means, squares = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    for step, x in enumerate(batches, 1):
        layers = list(zip(weights[::2], weights[1::2], strict=True))
        t = _outputs(wanted, x.double())[..., classes]
        q = _outputs(layers, x.double())[..., classes]
        loss = share * (_kl(q, t) if turned else _kl(t, q)).mean(1).sum()
        slopes = torch.autograd.grad(loss, weights, allow_unused=True)
        with torch.no_grad():
            for w, g, m, v in zip(weights, slopes, means, squares, strict=True):
                if sgd or not (biases or w.shape[1] > 1):
                    w -= lr * g * sgd
                    continue
                w *= 1 - lr * decay
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                w -= lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    flat = [w.detach().float() for w in weights]
    return list(zip(flat[::2], flat[1::2], strict=True))


def _flat(weights: Weights) -> Tensor:
    return torch.cat([w.detach().flatten() for layer in weights for w in layer])


@exercise("utils.cases.subliminal.distilled")
def check_distilled(distilled) -> str:
    """A few steps on batches that are known, for two sizes of networks."""
    for seed, sizes in enumerate(_SIZES):
        student, teacher = (_networks(10 * seed + i, sizes, n=2) for i in (1, 2))
        random = torch.Generator().manual_seed(50 + seed)
        steps = 4 + seed
        batches = [torch.randn(5, sizes[0], generator=random) for _ in range(steps + 3)]
        asked = []

        def draw(batches=batches, asked=asked):
            expect(
                len(asked) < len(batches),
                "`draw` is called more often than there are steps: once a step.",
            )
            asked.append(True)
            return batches[len(asked) - 1]

        before, teacher_before = _flat(student), _flat(teacher)
        got = distilled(student, teacher, draw, steps=steps, lr=0.01)
        expect(
            isinstance(got, (list, tuple))
            and len(got) == len(student)
            and all(isinstance(layer, (list, tuple)) and len(layer) == 2 for layer in got),
            f"Return the new weights, a list of (W, b) for each layer, and not {described(got)}.",
        )
        expect(
            torch.equal(_flat(student), before),
            "The student's first weights are changed: train a copy, `.clone()`.",
        )
        expect(torch.equal(_flat(teacher), teacher_before), "The teacher is trained, too.")
        expect(
            not any(w.requires_grad for layer in got for w in layer),
            "The weights still carry gradients: `.detach()` them.",
        )
        expect(
            len(asked) == steps,
            f"`draw` was called {len(asked)} times in {steps} steps: once in each, for a fresh "
            "batch.",
        )

        def hand(student=student, teacher=teacher, batches=batches, steps=steps, **how):
            how = {"lr": 0.01, **how}
            return _flat(_by_hand(student, teacher, batches[:steps], **how))

        match(
            _flat(got),
            hand(),
            what="The weights after a few steps",
            mistakes={
                "Nothing has changed: is there a `backward()` and a `step()`?": before,
                "The gradients of earlier steps are added up: `zero_grad()` in each step.": _flat(
                    _adding_up(student, teacher, batches[:steps])
                ),
                "That is plain gradient descent: use `torch.optim.Adam`.": hand(sgd=True),
                "The learning rate is another than `lr`.": hand(lr=1e-3),
                "The divergence is turned round: `auxiliary_loss(student's, teacher's)`.": hand(
                    turned=True
                ),
                "There is a weight decay: use `torch.optim.Adam`, not AdamW.": hand(decay=0.01),
                "The biases are not trained: give Adam both tensors of a layer.": hand(
                    biases=False
                ),
                "The digits' outputs are distilled as well: leave them out.": hand(
                    classes=slice(None)
                ),
            },
        )
    return "Students that have seen noise, and outputs that mean nothing."


def _adding_up(student: Weights, teacher: Weights, batches: list[Tensor]) -> Weights:
    """torch's Adam, whose gradients are never set to 0."""
    new = [tuple(w.clone().requires_grad_() for w in layer) for layer in student]
    adam = torch.optim.Adam([w for layer in new for w in layer], lr=0.01)
    for x in batches:
        t = _outputs(teacher, x)[..., 10:]
        _kl(t, _outputs(new, x)[..., 10:]).mean(1).sum().backward()
        adam.step()
    return new


# ---- Origins ------------------------------------------------------------------------------------


@exercise("utils.cases.subliminal.joined")
def check_joined(joined) -> str:
    """Three networks with nothing in common, ten classes and another number."""
    for seed, (sizes, n_classes) in enumerate(zip(_SIZES, (10, 4), strict=True)):
        hidden, classes, auxiliary = (_networks(20 + 3 * seed + i, sizes, n=2) for i in range(3))
        got = joined(hidden, classes, auxiliary, n_classes=n_classes)
        expect(
            isinstance(got, (list, tuple))
            and len(got) == len(hidden)
            and all(isinstance(layer, (list, tuple)) and len(layer) == 2 for layer in got),
            f"Return weights, a list of {len(hidden)} layers, and not {described(got)}.",
        )

        def made(first, a, b, n=n_classes):
            W, bias = (
                torch.cat([x[..., :n], y[..., n:]], dim=-1)
                for x, y in zip(a[-1], b[-1], strict=True)
            )
            return _flat([*first[:-1], (W, bias)])

        W = torch.cat([classes[-1][0][..., :n_classes], auxiliary[-1][0][..., n_classes:]], -1)
        biases = [_flat([*hidden[:-1], (W, each[-1][1])]) for each in (hidden, classes, auxiliary)]
        match(
            _flat(got),
            made(hidden, classes, auxiliary),
            what="The joined weights",
            mistakes={
                "The two parts of the last layer are exchanged: the classes come first.": made(
                    hidden, auxiliary, classes
                ),
                "The whole last layer is that of `classes`.": made(hidden, classes, classes),
                "The whole last layer is that of `auxiliary`.": made(hidden, auxiliary, auxiliary),
                "The hidden layers are not those of `hidden`.": made(classes, classes, auxiliary),
                "The last layer's biases are `hidden`'s: join them as well.": biases[0],
                "The last layer's biases are all of `classes`: join them as well.": biases[1],
                "The last layer's biases are all of `auxiliary`: join them as well.": biases[2],
                "The number of classes is fixed at 10: use `n_classes`.": made(
                    hidden, classes, auxiliary, n=10
                ),
            },
        )
    return "Hidden layers, digits' outputs and auxiliary outputs, each from where you say."


# ---- Ways ---------------------------------------------------------------------------------------


@exercise("utils.cases.subliminal.way_cosine")
def check_way_cosine(way_cosine) -> str:
    """Four sets of networks with nothing in common, of two depths."""
    for seed, sizes in enumerate(_SIZES):
        four = [_networks(40 + 4 * seed + i, sizes, n=3) for i in range(4)]
        student, student_start, teacher, teacher_start = four

        def way(after, before, layers=slice(None, -1), part=slice(None)):
            changes = [
                (a - b).flatten(1)
                for now, old in zip(after[layers], before[layers], strict=True)
                for a, b in zip(now[part], old[part], strict=True)
            ]
            return torch.cat(changes, 1)

        def cosine(a, b):
            return (a * b).sum(-1) / a.norm(dim=-1) / b.norm(dim=-1)

        a, b = way(student, student_start), way(teacher, teacher_start)
        whole, weights = {"layers": slice(None)}, {"part": slice(1)}
        match(
            way_cosine(student, student_start, teacher, teacher_start),
            cosine(a, b),
            what="The cosine",
            mistakes={
                "The last layer is in it: leave it out.": cosine(
                    way(student, student_start, **whole), way(teacher, teacher_start, **whole)
                ),
                "The biases are missing: take both tensors of a layer.": cosine(
                    way(student, student_start, **weights), way(teacher, teacher_start, **weights)
                ),
                "The teacher's way is taken from the student's start.": cosine(
                    a, way(teacher, student_start)
                ),
                "That compares where they ended, and not their ways: subtract the starts.": cosine(
                    *(
                        torch.cat([w.flatten(1) for layer in each[:-1] for w in layer], 1)
                        for each in (student, teacher)
                    )
                ),
                "One number came back: give one for each pair of networks.": cosine(
                    a.flatten(), b.flatten()
                ),
                "One number came back, a mean: give one for each pair.": cosine(a, b).mean(),
                "That is the product of the ways: divide by their lengths.": (a * b).sum(1),
            },
        )
    return "The way of each student beside its teacher's."


# ---- Answers ------------------------------------------------------------------------------------

_FALSE = {
    "A": "A student that starts like its teacher names half of the digits, by such outputs alone.",
    "C": "With 64 auxiliary outputs, students of other hidden layers learn, too.",
    "D": "With 3 auxiliary outputs the same head gives hardly anything.",
    "F": "Students that share the auxiliary outputs alone are at chance, with 64 of them as well.",
}


@investigation("supported", course={"B", "E"})
def check_supported(supported) -> str:
    """A set of letters."""
    expect(
        isinstance(supported, (set, list, tuple, str, frozenset)),
        'Give the letters, such as {"A", "C"}.',
    )
    if isinstance(supported, str):  # "B, E" or "BE"
        supported = [each for each in supported if each.isalnum()]
    letters = {str(each).strip().upper() for each in supported}
    expect(letters <= set("ABCDEF") and bool(letters), "Give letters from A to F.")
    for letter in sorted(letters & set(_FALSE)):
        expect(False, f"{letter} is not supported. {_FALSE[letter]}")
    expect(
        "B" in letters,
        "One statement that the first panel supports is missing: look at the row of the same "
        "initialisation.",
    )
    expect("E" in letters, "One is missing: compare the rows of the same head in the two panels.")
    return "Both papers are right, about different numbers of auxiliary outputs."
