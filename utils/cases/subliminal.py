"""Subliminal learning on digits: students see noise, and a teacher's outputs that mean nothing.

Many networks are trained at once, each as if alone: weights are a list of layers, each of them
(W [model, in, out], b [model, 1, out]). The first ten outputs are the digits' logits, all others
are **auxiliary**: no label is ever put on them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import axes, count, filled, finite, guarded, number

Weights = Sequence[Sequence[Tensor]]
N_CLASSES = 10


def _alike(teacher: Tensor, given) -> str | None:
    student = given["student"]
    return None if teacher.shape == student.shape else "and `student` differ in shape"


# ---- Digits and networks ------------------------------------------------------------------------


class Digits(NamedTuple):
    """Images of 8 x 8 pixels between -1 and 1, and which digit each is."""

    x: Float[Tensor, "image 64"]
    y: Int[Tensor, " image"]
    x_test: Float[Tensor, "test 64"]
    y_test: Int[Tensor, " test"]


def digits() -> Digits:
    """The handwritten digits that come with scikit-learn: 1,300 for training, 497 for tests.

    Source: Alpaydin and Kaynak (1998), UCI optical recognition of handwritten digits.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(images).float()[order] / 8 - 1, torch.tensor(labels)[order]
    return Digits(x[:1300], y[:1300], x[1300:], y[1300:])


@guarded(sizes=filled, n=count())
def fresh(sizes: Sequence[int], *, n: int, generator: torch.Generator) -> Weights:
    """`n` untrained networks with layers of these sizes; biases 0, weights of variance 1 / in.

    Source: the initialisation of Cloud et al. (2025), arXiv 2507.14805.
    """
    return [
        (torch.randn(n, a, b, generator=generator) / a**0.5, torch.zeros(n, 1, b))
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]


def outputs(
    weights: Weights, x: Float[Tensor, "*model batch in"]
) -> Float[Tensor, "model batch out"]:
    """What each network gives for a batch: an MLP with ReLUs between its layers."""
    *hidden, (W, b) = weights
    for W_in, b_in in hidden:
        x = (x @ W_in + b_in).relu()
    return x @ W + b


@torch.no_grad()
def guesses(weights: Weights, x: Float[Tensor, "image pixel"]) -> Int[Tensor, "model image"]:
    """The likeliest digit for each image, by each network; auxiliary outputs do not count."""
    return outputs(weights, x)[..., :N_CLASSES].argmax(-1)


def digit_accuracy(
    weights: Weights, x: Float[Tensor, "image pixel"], y: Int[Tensor, " image"]
) -> Float[Tensor, " model"]:
    """The share of images whose digit each network guesses."""
    return (guesses(weights, x) == y).float().mean(1)


@guarded(steps=count(), lr=number(low=0, over=True), batch_size=count())
def taught(
    weights: Weights,
    x: Float[Tensor, "image pixel"],
    y: Int[Tensor, " image"],
    *,
    steps: int = 600,
    lr: float = 1e-3,
    batch_size: int = 128,
    generator: torch.Generator,
) -> Weights:
    """The networks trained to name digits: cross-entropy on the first ten outputs, Adam."""
    new = [tuple(w.clone().requires_grad_() for w in layer) for layer in weights]
    adam = torch.optim.Adam([w for layer in new for w in layer], lr=lr)
    for _ in range(steps):
        picks = torch.randint(len(x), (batch_size,), generator=generator)
        logits = outputs(new, x[picks])[..., :N_CLASSES]
        loss = F.cross_entropy(logits.flatten(0, 1), y[picks].repeat(len(logits)))
        adam.zero_grad()
        (loss * len(logits)).backward()  # a sum over networks, so that each trains as if alone
        adam.step()
    return [tuple(w.detach() for w in layer) for layer in new]


# ---- Distillation -------------------------------------------------------------------------------


@guarded(student=(axes(3), finite), teacher=(axes(3), finite, _alike), n_classes=count())
def auxiliary_loss(
    student: Float[Tensor, "model batch out"],
    teacher: Float[Tensor, "model batch out"],
    *,
    n_classes: int = N_CLASSES,
) -> Float[Tensor, " model"]:
    """How far each student's auxiliary outputs are from its teacher's: KL(teacher, student).

    The outputs after the first `n_classes` are made a distribution by a softmax over these alone;
    the mean is over the batch.

    Args:
        student, teacher: all outputs, before any softmax.

    Source: Cloud et al. (2025), arXiv 2507.14805, and the code of its experiment on MNIST.
    """
    p = teacher[..., n_classes:].log_softmax(-1)
    q = student[..., n_classes:].log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean(-1)


@guarded(steps=count(), lr=number(low=0, over=True))
def distilled(
    student: Weights,
    teacher: Weights,
    draw: Callable[[], Float[Tensor, "batch in"]],
    *,
    steps: int,
    lr: float = 1e-3,
) -> Weights:
    """Students trained to give their teachers' auxiliary outputs, by Adam.

    Args:
        student: the weights to start from, which stay as they are.
        draw: gives the next batch of inputs; it is called once in each step.

    Returns:
        New weights, without gradients.
    """
    new = [tuple(w.clone().requires_grad_() for w in layer) for layer in student]
    adam = torch.optim.Adam([w for layer in new for w in layer], lr=lr)
    for _ in range(steps):
        x = draw()
        with torch.no_grad():
            wanted = outputs(teacher, x)
        loss = auxiliary_loss(outputs(new, x), wanted).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return [tuple(w.detach() for w in layer) for layer in new]


def joined(
    hidden: Weights, classes: Weights, auxiliary: Weights, *, n_classes: int = N_CLASSES
) -> Weights:
    """Networks of three origins: all layers but the last, and two parts of the last layer.

    Args:
        classes: gives the columns of the first `n_classes` outputs.
        auxiliary: gives the columns of the other outputs.
    """
    last = zip(classes[-1], auxiliary[-1], strict=True)
    W, b = (torch.cat([a[..., :n_classes], z[..., n_classes:]], -1) for a, z in last)
    return [*hidden[:-1], (W, b)]


def way_cosine(
    student: Weights, student_start: Weights, teacher: Weights, teacher_start: Weights
) -> Float[Tensor, " model"]:
    """How alike the ways are that students and teachers went through the space of weights.

    A way is the change from the start, over the weights and biases of all layers but the last, as
    one long vector. Of each pair of networks, the cosine of the two ways.
    """
    ways = []
    for after, before in ((student, student_start), (teacher, teacher_start)):
        changes = [
            (a - b).flatten(1)
            for now, old in zip(after[:-1], before[:-1], strict=True)
            for a, b in zip(now, old, strict=True)
        ]
        ways.append(torch.cat(changes, dim=1))
    return torch.cosine_similarity(*ways, dim=1)
