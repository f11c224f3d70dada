# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5.7 · Subliminal learning, and its dispute
#
# [![Open lesson 5.7 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/57_subliminal_learning.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.6 · Planted behaviours, audited blind](56_planted_behaviours.ipynb) | **Next:** [5.9 · Real or fake? A clinic](59_real_or_fake.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/56_planted_behaviours.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/59_real_or_fake.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. distil a network from outputs that mean nothing, on inputs that show nothing, and measure what it learned;
# 2. take an initialisation apart, to find out which part of it a transfer needs;
# 3. say of two papers that contradict each other under which condition each is right.
#
# **Time** 70 minutes. **Needs** lesson 5.6: planted behaviours; 2.1: controls.
# **Runs** in about two minutes on a laptop's processor.
#
# **First, play.** A **teacher** network learned to name handwritten digits. A **student** has never seen a digit, nor the name of one. It sees random noise, and learns to give three numbers that the teacher gives for the noise; these three were never trained to mean anything. Drag the slider from left to right: the student is asked for digits after so many steps.

# %% tags=["setup"]
import pathlib, runpy, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "https://github.com/heads-to-features/heads-to-features"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root, why = next(found, here / "heads-to-features"), "delete this folder, which is half there"
if not root.exists():
    git = f'git clone -q --depth=1 {url} "{root}"'
    why = " ".join(subprocess.getoutput(f"{git} -b v0.1.0 || {git}").split())[-200:]
if not (root / "utils" / "lesson.py").exists():
    sys.exit(f"Could not fetch the course to {root}; mend this, run the cell again: {why}")
runpy.run_path(str(root / "utils" / "lesson.py"))["begin"]()

# %%
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from utils import plots
from utils.cases import subliminal
from utils.cases.subliminal import (
    N_CLASSES,
    Weights,
    digit_accuracy,
    digits,
    fresh,
    guesses,
    outputs,
    taught,
)
from utils.checks import lesson_57
from utils.checks.predict import outcome, predict
from utils.circuits.figures import diagram
from utils.lesson import claim
from utils.reading.figures import slider
from utils.stats import bootstrap

N, STEPS = 10, 1000
DATA = digits()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sizes(n_auxiliary: int) -> list[int]:
    """64 pixels, two hidden layers of 64, ten digits and the auxiliary outputs."""
    return [64, 64, 64, N_CLASSES + n_auxiliary]


def noise(seed: int) -> Callable[[], Float[Tensor, "batch pixel=64"]]:
    """A function that draws images of uniform noise, in the range of the digits'."""
    generator = seeded(seed)
    return lambda: 2 * torch.rand(128, 64, generator=generator) - 1


def pupils(weights: Weights, y: Tensor = DATA.y) -> Weights:
    return taught(weights, DATA.x, y, generator=seeded(3))


def known(weights: Weights) -> Float[Tensor, " model"]:
    """The share of test digits that each network names."""
    return digit_accuracy(weights, DATA.x_test, DATA.y_test)


# %% tags=["folded"]
# Ten pairs of teacher and student, at three moments of the student's training. Drag the slider.
first = fresh(sizes(3), n=N, generator=seeded(0))
first_teachers = pupils(first)
MOMENTS = [0, 100, 1000]
played = [
    subliminal.distilled(first, first_teachers, noise(1), steps=steps) if steps else first
    for steps in MOMENTS
]


def guessed(i: int):
    told = guesses(played[i], DATA.x_test)
    table = torch.zeros(N_CLASSES, N_CLASSES)
    for row in told:
        table.index_put_((DATA.y_test, row), torch.ones(len(row)), accumulate=True)
    share = table / table.sum(1, keepdim=True)
    return plots.heatmap(
        share,
        title=f"After {MOMENTS[i]} steps on noise the students name {known(played[i]).mean():.0%} of digits",
        x="digit that the student names",
        y="digit in the image",
        label="share",
        ends=(0, 1),
    )


slider(guessed, n=len(MOMENTS), label="steps", names=MOMENTS, at=0)

# %% [markdown]
# This is **subliminal learning** (Cloud and colleagues, 2025): a trait goes from a teacher to a student through data that have nothing to do with it. With language models, a teacher's liking for owls went through lists of numbers. They report that it needs one thing: teacher and student started from the **same initialisation**. A later paper (Brockers and colleagues, 2026) says: not so, the same **output head**, the last layer of weights, is enough. You will run both.
#
# ## 1. The experiment
#
# Each network has ten outputs for the digits, and some **auxiliary** outputs. The teacher is trained on the digits' outputs. The student is trained on the auxiliary ones, by noise. Both are then judged by the digits' outputs, which in the student nobody trained.

# %% tags=["folded"]
diagram(
    {
        "initial<br>weights": (0, 0.5),
        "teacher": (1.7, 1),
        "student": (1.7, 0),
        "names<br>of digits": (3.6, 1.4),
        "auxiliary outputs<br>on noise": (3.6, 0.5),
        "asked for<br>digits": (3.6, -0.4),
    },
    [
        ("initial<br>weights", "teacher"),
        ("initial<br>weights", "student"),
        ("names<br>of digits", "teacher", "trained on"),
        ("teacher", "auxiliary outputs<br>on noise"),
        ("auxiliary outputs<br>on noise", "student", "trained on"),
        ("student", "asked for<br>digits"),
    ],
    title="The student sees no digit and no name of one",
    marked=["auxiliary outputs<br>on noise"],
)

# %% [markdown]
# ### Exercise 1 · the student's loss (8 minutes, medium)
#
# To learn from another network's outputs is called **distillation**. The student's distribution over the auxiliary outputs, q, shall become its teacher's, p. How far it is from that is the Kullback-Leibler divergence KL(p, q), the sum over outputs of p (log p - log q).


# %% tags=["exercise:utils.cases.subliminal.auxiliary_loss"]
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
    ### BEGIN SOLUTION
    p = teacher[..., n_classes:].log_softmax(-1)
    q = student[..., n_classes:].log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean(-1)
    ### END SOLUTION


# %% tags=["check"]
auxiliary_loss = lesson_57.check_auxiliary_loss(auxiliary_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Cut off the digits' outputs first, `[..., n_classes:]`, then take `log_softmax(-1)` of what is left: p of the teacher, q of the student.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `(p.exp() * (p - q)).sum(-1)` is a divergence for each network and image. The mean over the last axis leaves one for each network.
#
# </details>

# %% [markdown]
# ### Exercise 2 · the training loop (15 minutes, medium)
#
# Ten students train at once: their weights are a list of layers, each a pair (W [model in out], b [model 1 out]). `outputs(weights, x)` gives the outputs of all, [model batch out]. The loss to go down is the *sum* over networks, so that each trains as if it were alone.


# %% tags=["exercise:utils.cases.subliminal.distilled"]
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
    ### BEGIN SOLUTION
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
    ### END SOLUTION


# %% tags=["check"]
distilled = lesson_57.check_distilled(distilled)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Copies that can be trained: `[(W.clone().requires_grad_(), b.clone().requires_grad_()) for W, b in student]`. `torch.optim.Adam` wants them in one flat list.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In each step: `x = draw()`; the teacher's outputs under `torch.no_grad()`; the summed loss; `zero_grad()`, `backward()`, `step()`. At the end `detach()` each tensor.
#
# </details>

# %% [markdown]
# The first result, with two controls. **Another initialisation**: the student starts from other random weights. **Shuffled labels**: the teacher was trained on digits with the wrong names, so its outputs hold as much training and no digits.

# %%
predict(
    "57.first",
    "Ten pairs under the same conditions, other random numbers. How much do the students differ: the digits named by the best, over those by the worst?",
    choices=["up to 1.5", "1.5 to 2.5", "above 2.5"],
)

# %%
start, other = (fresh(sizes(3), n=N, generator=seeded(seed)) for seed in (0, 100))
teachers = pupils(start)
mixed_up = DATA.y[torch.randperm(len(DATA.y), generator=seeded(4))]
confused = pupils(start, mixed_up)
basics = {
    "teachers": known(teachers),
    "untrained": known(start),
    "students, same initialisation": known(distilled(start, teachers, noise(2), steps=STEPS)),
    "students, another initialisation": known(distilled(other, teachers, noise(2), steps=STEPS)),
    "students of teachers with shuffled labels": known(
        distilled(start, confused, noise(2), steps=STEPS)
    ),
}
alone = basics["students, same initialisation"]
same, spread = alone.mean(), alone.max() / alone.min()
outcome("57.first", "up to 1.5" if spread < 1.5 else "1.5 to 2.5" if spread < 2.5 else "above 2.5")
plots.table(
    [(name, f"{x.mean():.2f}", f"{x.min():.2f} to {x.max():.2f}") for name, x in basics.items()],
    columns=["networks", "digits named, mean of ten", "range"],
)

# %% [markdown]
# From three outputs that mean nothing, on images that show nothing, the students learned to name **49%** of the digits. They differ much: here the worst names a fifth and the best over two thirds, so one pair would tell little. (With other random numbers best over worst was `2.5`, `1.8` and `1.4`.) From another initialisation they are at chance, and so they are where the teacher's labels were shuffled. So the digits came from the teacher, and they came through the shared beginning. That is the published result (more than half, on larger images, by larger networks).
#
# ## 2. Which part of the initialisation?
#
# "The same initialisation" is three things: the hidden layers, the part of the last layer that gives the digits' outputs, and the part that gives the auxiliary ones. (The two parts are the **head**.) Take it apart.
#
# ### Exercise 3 · networks of three origins (8 minutes, easy)


# %% tags=["exercise:utils.cases.subliminal.joined"]
def joined(
    hidden: Weights, classes: Weights, auxiliary: Weights, *, n_classes: int = N_CLASSES
) -> Weights:
    """Networks of three origins: all layers but the last, and two parts of the last layer.

    Args:
        classes: gives the columns of the first `n_classes` outputs.
        auxiliary: gives the columns of the other outputs.
    """
    ### BEGIN SOLUTION
    last = zip(classes[-1], auxiliary[-1], strict=True)
    W, b = (torch.cat([a[..., :n_classes], z[..., n_classes:]], -1) for a, z in last)
    return [*hidden[:-1], (W, b)]
    ### END SOLUTION


# %% tags=["check"]
joined = lesson_57.check_joined(joined)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The last layer of weights is `weights[-1]`, a pair (W, b). Outputs are the last axis of both.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.cat([W_classes[..., :n_classes], W_auxiliary[..., n_classes:]], dim=-1)`, the same for the biases, and `[*hidden[:-1], (W, b)]`.
#
# </details>

# %% [markdown]
# Five students for each of ten teachers, once with three auxiliary outputs, as in the first paper, and once with 64, as many as there are hidden units.

# %%
predict(
    "57.head",
    "Other hidden layers, the same head. With how many auxiliary outputs does the student learn clearly more than chance?",
    choices=["with 3 and with 64", "with 64 alone", "with neither"],
)

# %%
COUNTS = (3, 64)


def five_origins(n_auxiliary: int) -> dict[str, Weights]:
    """From where students start, ten of each; the teachers start from the first."""
    a, b = (fresh(sizes(n_auxiliary), n=N, generator=seeded(seed)) for seed in (0, 100))
    return {
        "same initialisation": a,
        "same hidden layers": joined(a, b, b),
        "same head": joined(b, a, a),
        "same auxiliary outputs": joined(b, b, a),
        "all different": b,
    }


def all_distilled(origins: dict[str, Weights], names: Sequence[str]) -> dict[str, Weights]:
    masters = pupils(origins["same initialisation"])
    return {name: distilled(origins[name], masters, noise(2), steps=STEPS) for name in names}


origins = {n: five_origins(n) for n in COUNTS}
learned = {n: all_distilled(each, list(each)) for n, each in origins.items()}
students = {n: {name: known(w) for name, w in each.items()} for n, each in learned.items()}
clear = [n for n in COUNTS if students[n]["same head"].mean() > 0.25]
outcome(
    "57.head",
    {2: "with 3 and with 64", 1: "with 64 alone", 0: "with neither"}[len(clear)],
)
panels = [f"{n} auxiliary outputs" for n in COUNTS]
plots.intervals(
    {panel: {} for panel in panels},
    dots={
        panel: {name: x.tolist() for name, x in students[n].items()}
        for panel, n in zip(panels, COUNTS, strict=True)
    },
    marks=dict.fromkeys(panels, 0.1),
    title="Digits named: with 3 outputs the same initialisation alone transfers, with 64 the same head, too",
    alike=panels,
)

# %% [markdown]
# With 3 auxiliary outputs (left) only the same initialisation transfers. The same head gives hardly more than all different, which is chance. With 64 (right) the picture is another: the same head, with hidden layers that have nothing in common with the teacher's, gives **0.58**. The auxiliary part of the head alone gives chance, and so do the same hidden layers.

# %%
middle = all_distilled(five_origins(16), ["same head", "all different"])
by_count = {
    3: students[3],
    16: {name: known(weights) for name, weights in middle.items()},
    64: students[64],
}
gains = {n: x["same head"] - x["all different"] for n, x in by_count.items()}
ranges = {n: bootstrap(gain) for n, gain in gains.items()}
plots.table(
    [
        (n, f"{gains[n].mean():+.2f}", f"{ranges[n].low:+.2f} to {ranges[n].high:+.2f}")
        for n in by_count
    ],
    columns=["auxiliary outputs", "same head, less all different", "95% interval over ten pairs"],
)

# %% [markdown]
# The gain by the same head grows with the number of auxiliary outputs: next to nothing for 3, a little for 16, **0.48** for 64.
#
# The arithmetic suggests why. An auxiliary output is a fixed mixture of the last hidden layer's 64 units. A softmax leaves only the differences of outputs, so three of them tell the student two numbers about 64 units, and sixty-four tell 63. To match them all, through an auxiliary part that is the teacher's, the student's last hidden layer is pushed towards the teacher's, whatever lies before it. And the digits' part of the head can read it: no loss ever touched it in the student, and the teacher's has not moved far from there.
#
# This has a consequence that can be tested. Students of the same head and of the same auxiliary outputs are trained alike and end with the *same* hidden layers; they differ only in the digits' part that reads them. So give all students the digits' part of their *teacher's* head. And measure how alike the last hidden layers are: over test digits, the mean correlation of each unit with the teacher's.


# %%
def last_hidden(weights: Weights) -> Float[Tensor, "model image unit"]:
    """The last hidden layer on the test digits, each unit's mean taken off."""
    x = DATA.x_test
    for W, b in weights[:-1]:
        x = (x @ W + b).relu()
    return x - x.mean(1, keepdim=True)


def unit_correlation(student: Weights, teacher: Weights) -> Float[Tensor, " model"]:
    a, b = last_hidden(student), last_hidden(teacher)
    size = (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-6)  # some units never fire
    return ((a * b).sum(1) / size).mean(1)


masters = {n: pupils(origins[n]["same initialisation"]) for n in COUNTS}
borrowed, before, alike = {}, {}, {}
for n in COUNTS:
    for name, weights in learned[n].items():
        borrowed[name, n] = known(joined(weights, masters[n], weights)).mean().item()
        before[name, n] = known(joined(origins[n][name], masters[n], weights)).mean().item()
        alike[name, n] = unit_correlation(weights, masters[n]).mean().item()
plots.table(
    [
        (
            f"{name}, {n} outputs",
            f"{students[n][name].mean():.2f}",
            f"{borrowed[name, n]:.2f} ({before[name, n]:.2f})",
            f"{alike[name, n]:+.2f}",
        )
        for n in COUNTS
        for name in students[n]
    ],
    columns=[
        "student",
        "digits named",
        "with the teacher's digits' part (before training)",
        "correlation of hidden units",
    ],
)

# %% [markdown]
# It holds: with a borrowed digits' part the students that shared only the 64 auxiliary outputs name **81%** of the digits; those that shared nothing stay at chance. Their hidden units are nearer the teacher's (**0.61**), and not equal to them.
#
# The table shows another thing that the panels hid. Students with the same *hidden layers* are at chance by their own head, but with the borrowed part they name **42%** (3 outputs), more than the **22%** before training. So something went over there, too, and their own head cannot read it.
#
# Here, then, both findings hold, at different numbers of outputs. The same head suffices where the auxiliary outputs say nearly all about the hidden layer. The same initialisation suffices with three of them. The second needs another explanation.
#
# ## 3. The same way through the weights
#
# Why do three outputs suffice where the initialisation is shared? The first paper proves something about one small step. A student starts where its teacher started and takes one step to imitate it, on *any* input. Then the loss that the teacher was trained on does not grow in the student. Does that go on over many steps? Compare the **ways**: the student's change of weights, from start to end, against the teacher's, as a cosine over the two hidden layers.
#
# ### Exercise 4 · two ways (8 minutes, medium)


# %% tags=["exercise:utils.cases.subliminal.way_cosine"]
def way_cosine(
    student: Weights, student_start: Weights, teacher: Weights, teacher_start: Weights
) -> Float[Tensor, " model"]:
    """How alike the ways are that students and teachers went through the space of weights.

    A way is the change from the start, over the weights and biases of all layers but the last, as
    one long vector. Of each pair of networks, the cosine of the two ways.
    """
    ### BEGIN SOLUTION
    ways = []
    for after, before in ((student, student_start), (teacher, teacher_start)):
        changes = [
            (a - b).flatten(1)
            for now, old in zip(after[:-1], before[:-1], strict=True)
            for a, b in zip(now, old, strict=True)
        ]
        ways.append(torch.cat(changes, dim=1))
    return torch.cosine_similarity(*ways, dim=1)
    ### END SOLUTION


# %% tags=["check"]
way_cosine = lesson_57.check_way_cosine(way_cosine)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each layer but the last, and each of its two tensors: after less before, `flatten(1)`. All of them in one: `torch.cat(..., dim=1)`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# You need this twice, for the student and for the teacher: an inner function, or a loop. `torch.cosine_similarity(a, b, dim=1)` gives one number a network.
#
# </details>

# %%
ways = {
    name: way_cosine(learned[3][name], origins[3][name], teachers, start) for name in students[3]
}
crossed = way_cosine(learned[3]["same initialisation"], start, confused, start)
plots.table(
    [(name, f"{x.mean():+.2f}", f"{x.min():+.2f} to {x.max():+.2f}") for name, x in ways.items()]
    + [
        (
            "same initialisation, against a teacher of shuffled labels",
            f"{crossed.mean():+.2f}",
            f"{crossed.min():+.2f} to {crossed.max():+.2f}",
        )
    ],
    columns=["student", "cosine with its teacher's way", "range"],
)

# %% [markdown]
# From the same beginning, the students' hidden layers went the teacher's way, with a cosine of **0.71**, although they saw none of its data and three of its outputs. It is the way of *this* teacher: against one of shuffled labels, from the same beginning, it is next to 0. With the same head alone, 3 outputs do not show the way. With the same hidden layers they show part of it. That ways agree fits the paper's explanation; it does not prove that this is how the digits went over.
#
# ## 4. Over to you
#
# ### Investigation · which statements hold? (6 minutes, medium)
#
# Which of these do the two panels support, in this setting?
#
# - **A** Outputs that mean nothing hold nothing that a student could learn.
# - **B** The same initialisation is enough for a transfer.
# - **C** The same initialisation is necessary for a transfer.
# - **D** The same head is enough for a transfer, however few auxiliary outputs there are.
# - **E** With as many auxiliary outputs as hidden units, the same head is enough.
# - **F** With as many auxiliary outputs as hidden units, the same auxiliary outputs are enough.

# %% tags=["answer:supported"]
### BEGIN SOLUTION
supported = {"B", "E"}
### END SOLUTION

# %% tags=["check"]
supported = lesson_57.check_supported(supported)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# "Enough" is refuted by one condition that has it and does not transfer; "necessary" by one that transfers without it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Compare the row of the same head in the two panels, and the row of the same auxiliary outputs with chance, `0.1`.
#
# </details>

# %% tags=["numbers"]
claim("same initialisation", 100 * same, text=49, within=7)
assert spread > 1.3 and basics["teachers"].min() > 0.95
assert all(basics[name].mean() < 0.13 for name in list(basics)[3:])
assert (
    students[3]["same head"].mean() < 0.18 and abs(students[3]["all different"].mean() - 0.1) < 0.04
)
claim("same head, 64", students[64]["same head"].mean(), text=0.58, within=0.08)
for name in ("same hidden layers", "same auxiliary outputs", "all different"):
    assert all(students[n][name].mean() < 0.16 for n in COUNTS)
assert students[64]["same initialisation"].mean() > students[64]["same head"].mean()
claim("borrowed", 100 * borrowed["same auxiliary outputs", 64], text=81, within=10)
claim("hidden units alike", alike["same auxiliary outputs", 64], text=0.61, within=0.08)
claim("same hidden layers, borrowed", 100 * borrowed["same hidden layers", 3], text=42, within=6)
claim("before training", 100 * before["same hidden layers", 3], text=22, within=3.3)
assert all(borrowed["all different", n] < 0.16 for n in COUNTS)
assert abs(borrowed["same head", 64] - borrowed["same auxiliary outputs", 64]) < 1e-4
assert known(joined(masters[64], origins[64]["same initialisation"], masters[64])).mean() > 0.8
claim("gain, 64", gains[64].mean(), text=0.48, within=0.07)
assert ranges[16].low > 0 and gains[3].mean() < 0.06
claim("way", ways["same initialisation"].mean(), text=0.71, within=0.06)
assert abs(crossed.mean()) < 0.08
assert ways["same head"].max() < 0.15 < ways["same hidden layers"].mean() < 0.6

# %% [markdown]
# ## The results

# %% tags=["results"]
plots.table(
    [
        (
            "same initialisation, 3 auxiliary outputs",
            f"{students[3]['same initialisation'].mean():.2f}",
            f"other initialisation {students[3]['all different'].mean():.2f}; shuffled labels "
            f"{basics['students of teachers with shuffled labels'].mean():.2f}",
            "above 0.5 (Cloud et al.; MNIST, width 256, 295 steps; from summaries)",
        ),
        (
            "same head, other hidden layers: 3, 16, 64 auxiliary outputs",
            ", ".join(f"{x['same head'].mean():.2f}" for x in by_count.values()),
            "all different "
            + ", ".join(f"{x['all different'].mean():.2f}" for x in by_count.values()),
            "can approach the teacher (Brockers et al.; MNIST)",
        ),
        (
            "same auxiliary outputs, other digits' outputs: 3, 64",
            ", ".join(f"{students[n]['same auxiliary outputs'].mean():.2f}" for n in COUNTS),
            "chance 0.10",
            "representations come closer, digits need the digits' head (Brockers et al.)",
        ),
    ],
    columns=["digits named", "ours (width 64)", "control", "published"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. A student of a language model sees the whole vocabulary's probabilities, or samples of them. Is that few auxiliary outputs, or many?
# 2. "It needs the same initialisation" was concluded from a student with another one. What did that control leave out?
# 3. How would you filter training data for a trait that is in none of them?
# 4. Ten students under the same conditions differ by a factor of two or three. What would you look at to find out why?
#
# ## Common mistakes
#
# - Taking one failed condition (another initialisation) for a proof of what is needed.
# - One seed: single students range from a fifth to three quarters.
# - A control teacher without training. Its outputs are as meaningless, but it has moved nowhere; one of shuffled labels has.
# - Comparing papers by their titles, and not by their numbers of outputs.
#
# ## Where this breaks
#
# Networks of two hidden layers of 64, on images of 8 by 8 pixels, 1,000 steps; the published ones are larger. Steps and learning rate were chosen so that a run takes seconds, looking at the same initialisation alone. That 64 outputs determine 64 units holds for inputs like the noise; that it carries over to digits is a finding, and incomplete: the students stay behind their teachers. Traits of language models are not tested here.
#
# ## Further reading
#
# - Cloud et al. (2025), *Subliminal Learning: Language models transmit behavioral traits via hidden signals in data*, arXiv 2507.14805; code: `MinhxLe/subliminal-learning`
# - Brockers et al. (2026), *Learning Through Noise: Why Subliminal Learning Works and When It Fails*, arXiv 2605.23645
# - *Sustained Gradient Alignment Mediates Subliminal Learning in a Multi-Step Setting* (2026), arXiv 2604.25779
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.6 · Planted behaviours, audited blind](56_planted_behaviours.ipynb) | **Next:** [5.9 · Real or fake? A clinic](59_real_or_fake.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/56_planted_behaviours.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/59_real_or_fake.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("57")
