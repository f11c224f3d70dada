"""Checks of lesson 5.5, grokking."""

from numbers import Integral

import torch
from torch import Tensor, nn

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described


def _pairs(p: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(p), torch.arange(p))


# ---- Training -----------------------------------------------------------------------------------


class _Learner(nn.Module):
    """A sum of two tables, one for each number: its gradients can be written down."""

    def __init__(self, p: int, seed: int):
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.p = p
        self.first, self.second = (
            nn.Parameter(torch.randn(p, p, generator=random)) for _ in range(2)
        )

    def forward(self, pairs: Tensor) -> Tensor:
        return self.first[pairs[:, 0]] + self.second[pairs[:, 1]]


_COLUMNS = ("step", "train", "held_out", "train_loss", "held_out_loss")


def _trained(
    weights: list[Tensor],
    train: Tensor,
    held_out: Tensor,
    *,
    steps: int,
    lr: float,
    decay: float,
    every: int,
    betas: tuple[float, float] = (0.9, 0.98),
    inside: bool = False,
    adds_up: bool = False,
) -> tuple[list[Tensor], dict[str, list[float]]]:
    """AdamW by its formulas: `inside` puts the decay into the gradient, as Adam does."""
    weights = [weight.detach().double().clone() for weight in weights]
    means, squares, before = ([torch.zeros_like(w) for w in weights] for _ in range(3))
    p = len(weights[0])

    def measure(pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = weights[0][pairs[:, 0]] + weights[1][pairs[:, 1]]
        right = pairs.sum(1) % p
        log_p = logits.log_softmax(-1)
        slope = log_p.exp()
        slope[torch.arange(len(pairs)), right] -= 1
        loss = -log_p[torch.arange(len(pairs)), right].mean()
        return loss, (logits.argmax(1) == right).double().mean(), slope / len(pairs)

    log: dict[str, list[float]] = {name: [] for name in _COLUMNS}
    for step in range(steps + 1):
        if step % every == 0:
            log["step"].append(step)
            for name, pairs in (("train", train), ("held_out", held_out)):
                loss, share, _ = measure(pairs)
                log[name].append(float(share))
                log[f"{name}_loss"].append(float(loss))
        if step == steps:
            break
        _, _, slope = measure(train)
        for i, weight in enumerate(weights):
            gradient = torch.zeros_like(weight).index_add(0, train[:, i], slope)
            if adds_up:
                gradient = before[i] = before[i] + gradient
            if inside:
                gradient = gradient + decay * weight
            else:
                weight *= 1 - lr * decay
            means[i] = betas[0] * means[i] + (1 - betas[0]) * gradient
            squares[i] = betas[1] * squares[i] + (1 - betas[1]) * gradient**2
            mean, square = means[i] / (1 - betas[0] ** (step + 1)), squares[i]
            square = square / (1 - betas[1] ** (step + 1))
            weight -= lr * mean / (square.sqrt() + 1e-8)
    return weights, log


@exercise("utils.cases.modular.train_adder", keeps_gradient=False)
def check_train_adder(train_adder) -> str:
    """The weights after some steps are worked out from AdamW's formulas."""
    for seed, (p, steps, every, lr, decay) in enumerate(
        ((5, 12, 4, 0.05, 2.0), (7, 9, 2, 0.02, 3.0))
    ):
        random = torch.Generator().manual_seed(seed)
        model, pairs = _Learner(p, seed), _pairs(p)
        pairs = pairs[torch.randperm(len(pairs), generator=random)]
        train, held_out = pairs[: p + 3], pairs[p + 3 :]
        got = train_adder(
            model, train, held_out, steps=steps, lr=lr, weight_decay=decay, every=every
        )
        expect(
            isinstance(got, (tuple, list)) and len(got) == 2 and isinstance(got[0], nn.Module),
            f"Return two things, the trained copy and the columns, not {described(got)}.",
        )
        trained, log = got
        expect(
            isinstance(log, dict) and set(log) == set(_COLUMNS),
            f"The columns are {', '.join(_COLUMNS)}, and yours {described(log)}.",
        )
        common = {"steps": steps, "lr": lr, "decay": decay, "every": every}
        start = list(model.parameters())

        def run(start=start, train=train, held_out=held_out, common=common, **other):
            weights, _ = _trained(start, train, held_out, **{**common, **other})
            return torch.stack(weights)

        _, right_log = _trained(start, train, held_out, **common)
        right, new = run(), torch.stack([w.detach() for w in trained.parameters()])
        mistakes = {
            "The copy has not changed: is its loss's gradient computed, and a step taken?": (
                torch.stack(start)
            ),
            "There is no weight decay: give `weight_decay` to the optimizer.": run(decay=0.0),
            "The decay is AdamW's default: give it `weight_decay`.": run(decay=0.01),
            "That is Adam, which puts the decay into the gradient: take AdamW.": run(inside=True),
            "The betas are the default ones: (0.9, 0.98).": run(betas=(0.9, 0.999)),
            "The gradients of all steps add up: set them to zero before each `backward`.": run(
                adds_up=True
            ),
            "One step too many: the row of the last step is written after it, and no step "
            "follows.": run(steps=steps + 1),
            "One step too few.": run(steps=steps - 1),
            "The held-out pairs are trained on: the loss is that of `train` alone.": run(
                train=held_out
            ),
            "All pairs are trained on: the loss is that of `train` alone.": run(train=pairs),
            "The learning rate is the optimizer's default: give it `lr`.": run(lr=1e-3),
        }
        match(new, right, what="The trained weights", mistakes=mistakes)
        _, dense = _trained(start, train, held_out, **{**common, "every": 1})
        _match_log(log, right_log, dense, every=every)
    return "Every step sees all training pairs, and no other."


def _match_log(log: dict, right: dict, dense: dict, *, every: int) -> None:
    steps = len(dense["step"]) - 1
    steps_of = [int(step) for step in log["step"]]
    expect(
        steps_of == right["step"],
        f"With {steps} steps and every {every}, measure after {right['step']} steps, and not "
        f"after {steps_of}.",
    )
    for name in _COLUMNS[1:]:
        expect(
            len(log[name]) == len(steps_of), f"`{name}` needs one number for each row of `step`."
        )
        other = name.replace("train", "#").replace("held_out", "train").replace("#", "held_out")
        match(
            torch.tensor([float(x) for x in log[name]]),
            torch.tensor(right[name]),
            what=f"The column `{name}`",
            mistakes={
                "Training and held-out pairs have changed places in the columns.": right[other],
                "Loss and accuracy have changed places in the columns.": (
                    right[name.removesuffix("_loss")] if "loss" in name else right[f"{name}_loss"]
                ),
                "The rows come after the step of their number: measure before it.": [
                    dense[name][min(step + 1, steps)] for step in steps_of
                ],
            },
        )


# ---- Waves --------------------------------------------------------------------------------------


@exercise("utils.cases.modular.fourier_power")
def check_fourier_power(fourier_power) -> str:
    """Random vectors with a constant, against the fast Fourier transform."""
    for seed, (p, d) in enumerate(((7, 4), (11, 3))):
        random = torch.Generator().manual_seed(seed)
        x, k = torch.arange(p), 2 + seed
        vectors = torch.randn(p, d, generator=random) + torch.tensor([3.0, -2, 0, 1])[:d]
        wave = (2 * torch.pi * k * x / p + 0.4).sin()
        vectors = vectors + 2 * wave[:, None] * torch.randn(d, generator=random)
        spectrum = torch.fft.rfft(vectors.double(), dim=0)
        squares = spectrum.abs() ** 2
        power = squares[1:].sum(1)
        size, parts = spectrum.abs()[1:].sum(1), torch.view_as_real(spectrum[1:]) ** 2
        whole = squares.sum(1)
        whole[1:] *= 2
        everything = (vectors.double() ** 2).sum()
        match(
            fourier_power(vectors),
            power / power.sum(),
            what="The shares",
            mistakes={
                "The constant, frequency 0, is among the frequencies: begin at 1.": (
                    whole / whole.sum()
                ),
                "The constant, frequency 0, is among them, and counts: begin at 1.": (
                    squares.sum(1) / squares.sum()
                ),
                "The constant counts in what you divide by: the shares of the frequencies alone "
                "add up to 1.": whole[1:] / whole.sum(),
                "That is the power: divide by its sum over the frequencies.": 2 * power / p,
                "That is the power of waves that are not of length 1: divide by the sum.": power,
                "Those are sizes: the power is their square.": size / size.sum(),
                "Take the square of each coordinate's part: parts along one wave are numbers of "
                "both signs.": spectrum.sum(1).abs()[1:] ** 2
                / (spectrum.sum(1).abs()[1:] ** 2).sum(),
                "Only the cosine counts: add the sine's part.": parts[..., 0].sum(1)
                / parts[..., 0].sum(),
                "Only the sine counts: add the cosine's part.": parts[..., 1].sum(1)
                / parts[..., 1].sum(),
                "The largest share is 1: the shares add up to 1.": power / power.max(),
                "The constant is missing among the frequencies but not in what you divide by.": (
                    2 * power / p / everything
                ),
                "Each coordinate has a share of its own: add the powers first.": (
                    squares[1:] / squares[1:].sum(0)
                ).mean(1),
                "Frequencies above (p - 1) / 2 are the lower ones once more: stop there.": (
                    torch.cat([power, power.flip(0)]) / (2 * power.sum())
                ),
                "The last frequency is missing: (p - 1) / 2 counts.": power[:-1] / power[:-1].sum(),
            },
        )
    return "The constant is left out, and the shares add up to 1."


def _fit(
    logits: Tensor,
    frequencies: list[int],
    at: Tensor,
    *,
    sign: int = 1,
    waves: tuple[str, ...] = ("cos", "sin"),
    constant: bool = True,
    keep: bool = False,
) -> Tensor:
    """Least squares by the normal equations, in double precision."""
    p = len(logits)
    a, b = torch.arange(p).double()[:, None], torch.arange(p).double()[None]
    angle = (a + sign * b) * 2 * torch.pi / p
    columns = [getattr(torch, wave)(k * angle) for k in frequencies for wave in waves]
    if constant:
        columns = [torch.ones(p, p).double(), *columns]
    x = torch.stack(columns, -1)
    chosen, target = x[at], logits[at].double()
    fitted = torch.linalg.solve(chosen.T @ chosen, chosen.T @ target)
    first = int(constant and not keep)
    return x[..., first:] @ fitted[first:]


@exercise("utils.cases.modular.sum_waves")
def check_sum_waves(sum_waves) -> str:
    """Random logits with offsets, fitted at all pairs and at some."""
    for seed, (p, frequencies) in enumerate(((7, [2]), (11, [4, 1]), (11, [5, 3]))):
        random = torch.Generator().manual_seed(seed)
        logits = torch.randn(p, p, p, generator=random) + torch.randn(p, generator=random)
        total = torch.arange(p)[:, None] + torch.arange(p)
        angle = 2 * torch.pi * frequencies[0] * total / p
        logits = logits + 2 * angle.cos()[..., None] * torch.randn(p, generator=random) + 1.5
        everywhere = torch.ones(p, p).bool()
        some = torch.rand(p, p, generator=random) < 0.6
        for at in (everywhere, some):
            right = _fit(logits, frequencies, at)
            scaled = _fit(logits.where(at[..., None], 0), frequencies, everywhere)
            match(
                sum_waves(logits, frequencies, at=at),
                right,
                what="The waves" + ("" if at is everywhere else ", fitted at some pairs,"),
                mistakes={
                    "The fit uses all pairs: only those in `at` count.": _fit(
                        logits, frequencies, everywhere
                    ),
                    "The constant is still in it: it is fitted, and then left out.": _fit(
                        logits, frequencies, at, keep=True
                    ),
                    "There is no constant in the fit, and at some pairs alone the waves do not "
                    "average to 0: fit one, then leave it out.": _fit(
                        logits, frequencies, at, constant=False
                    ),
                    "Those are waves of the difference a - b: take the sum.": _fit(
                        logits, frequencies, at, sign=-1
                    ),
                    "Only the cosines are there: add the sines.": _fit(
                        logits, frequencies, at, waves=("cos",)
                    ),
                    "Only the sines are there: add the cosines.": _fit(
                        logits, frequencies, at, waves=("sin",)
                    ),
                    "Waves at some pairs are not at right angles, so a projection is no fit: "
                    "take least squares.": scaled,
                    "That is what is left over: give the waves.": logits - right,
                    "The result holds 0 outside `at`: the fitted waves have a value at all "
                    "pairs.": right.where(at[..., None], 0),
                    "Only the first frequency is fitted.": _fit(logits, frequencies[:1], at),
                    "Only the last frequency is fitted.": _fit(logits, frequencies[-1:], at),
                },
            )
    return "The fit sees the chosen pairs alone, and the constant is left out."


# ---- Two ways to add ----------------------------------------------------------------------------


class _Planted(nn.Module):
    """Logits that are bilinear in the two embeddings: the gradients can be written down."""

    def __init__(self, p: int, d: int, seed: int):
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.p = p
        sizes = {"W_E": (p, d), "first": (p, d), "second": (p, d), "both": (p, d, d)}
        for name, size in sizes.items():
            setattr(self, name, nn.Parameter(torch.randn(*size, generator=random)))

    def embed(self, pairs: Tensor) -> Tensor:
        return self.W_E[pairs]

    def from_embeddings(self, x: Tensor) -> Tensor:
        mixed = torch.einsum("bi,cij,bj->bc", x[:, 0], self.both, x[:, 1])
        return x[:, 0] @ self.first.T + x[:, 1] @ self.second.T + mixed

    def forward(self, pairs: Tensor) -> Tensor:
        return self.from_embeddings(self.embed(pairs))

    @torch.no_grad()
    def slopes(self, pairs: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        x, both = self.W_E[pairs].double(), self.both[answers].double()
        return (
            self.first[answers] + torch.einsum("bij,bj->bi", both, x[:, 1]),
            self.second[answers] + torch.einsum("bij,bi->bj", both, x[:, 0]),
        )


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(-1) / (one.norm(dim=-1) * other.norm(dim=-1))


@exercise("utils.cases.modular.gradient_symmetricity", keeps_gradient=False)
def check_gradient_symmetricity(gradient_symmetricity) -> str:
    """Bilinear logits, whose gradients can be worked out."""
    for seed, (p, d, n) in enumerate(((5, 4, 6), (7, 3, 1), (6, 5, 9))):
        random = torch.Generator().manual_seed(seed)
        model = _Planted(p, d, seed)
        triples = torch.randint(p, (n, 3), generator=random)
        triples[:, 1] = (triples[:, 0] + 1 + triples[:, 1] % (p - 1)) % p  # two numbers
        triples[0, 1] = triples[0, 0]  # the same number twice has two gradients, too
        pairs, answers = triples[:, :2], triples[:, 2]
        one, other = model.slopes(pairs, answers)
        right = _cosine(one, other)
        x = model.W_E.detach().double()[pairs]
        summed = [
            sum(each)
            for each in zip(
                *(model.slopes(pairs, torch.full((n,), c)) for c in range(p)), strict=True
            )
        ]
        match(
            gradient_symmetricity(model, triples),
            right,
            what="The cosines",
            mistakes={
                "That is the mean: give one cosine for each triple.": right.mean(),
                "Those are gradients of all logits together: take the logit of c alone.": _cosine(
                    *summed
                ),
                "Those are gradients of the right sum's logit: take that of c, the third number "
                "of the triple.": _cosine(*model.slopes(pairs, pairs.sum(1) % p)),
                "Those are dot products: divide by both lengths.": (one * other).sum(-1),
                "That compares the two embeddings: compare gradients.": _cosine(x[:, 0], x[:, 1]),
                "Each gradient is compared with itself.": torch.ones(n),
                "That is one cosine over all triples: one for each.": _cosine(
                    one.flatten(), other.flatten()
                ),
            },
        )
    return "One cosine for each triple, between the gradients of its own answer."


@exercise("utils.cases.modular.distance_irrelevance", in_double=True)
def check_distance_irrelevance(distance_irrelevance) -> str:
    """Random logits in which distance matters to another degree each time, worked out in loops."""
    for seed, (p, strength) in enumerate(((5, 2.0), (7, 0.5), (9, 4.0))):
        random = torch.Generator().manual_seed(seed)
        logits = torch.randn(p, p, p, generator=random) * 3 - 1
        by_distance, by_sum = (torch.randn(p, generator=random) for _ in range(2))
        a, b = torch.arange(p)[:, None], torch.arange(p)
        logits = logits + strength * by_distance[(a - b) % p][..., None]
        logits = logits + by_sum[(a + b) % p][..., None]

        def value(
            group=lambda a, b, p: (a - b) % p,
            answer=lambda a, b, p: (a + b) % p,
            ddof=0,
            spread=torch.std,
            logits=logits,
            p=p,
        ):
            rows: dict[int, list] = {}
            for i in range(p):
                for j in range(p):
                    right = logits[i, j, answer(i, j, p)].double()
                    rows.setdefault(group(i, j, p), []).append(right)
            each = [torch.stack(row) for row in rows.values() if len(row) > ddof]
            within = torch.stack([spread(row, correction=ddof) for row in each]).mean()
            return float(within / spread(torch.cat(each), correction=ddof))

        grid = torch.arange(p)
        whole = logits.double().std(correction=0)
        right = logits[grid[:, None], grid, (grid[:, None] + grid) % p].double()
        means = torch.stack([right[(grid[:, None] - grid) % p == d].mean() for d in range(p)]).std(
            correction=0
        )
        found = value()
        match(
            distance_irrelevance(logits),
            found,
            what="The distance irrelevance",
            mistakes={
                "The pairs are grouped by their sum: group them by (a - b) mod p.": value(
                    group=lambda a, b, p: (a + b) % p
                ),
                "The distances are not taken modulo p: there are p of them.": value(
                    group=lambda a, b, p: a - b
                ),
                "1 and -1 are two distances, modulo p: do not take absolute values.": value(
                    group=lambda a, b, p: abs(a - b)
                ),
                "The pairs are grouped by their first number: group them by (a - b) mod p.": value(
                    group=lambda a, b, p: a
                ),
                "Standard deviations divide by n here, and not n - 1: `correction=0`.": value(
                    ddof=1
                ),
                "Those are variances: take standard deviations.": value(spread=torch.var),
                "It is the other way round: within distances, divided by all pairs.": 1 / found,
                "That is 1 less it.": 1 - found,
                "That compares the means of the distances: take the spread within each.": float(
                    means / right.std(correction=0)
                ),
                "You divide by the spread of all logits: of the right answers' alone.": found
                * float(right.std(correction=0) / whole),
                "You did not divide by the spread over all pairs.": found
                * float(right.std(correction=0)),
                "Those are the logits of another answer: the right one is (a + b) mod p.": value(
                    answer=lambda a, b, p: (a - b) % p
                ),
            },
        )
    return "Spread within each distance, over the spread of all right answers."


# ---- The investigation --------------------------------------------------------------------------

_NEEDED = {1, 3, 7, 26}


@investigation("needed", course=_NEEDED)
def check_needed(answer) -> str:
    """Four frequencies, in any order and container."""
    form = "Give the frequencies as a set of whole numbers, such as {2, 14}."
    expect(isinstance(answer, (set, frozenset, list, tuple)) and len(answer) > 0, form)
    expect(all(isinstance(k, Integral) and not isinstance(k, bool) for k in answer), form)
    found = {int(k) for k in answer}
    mirrored = {min(k % 59, -k % 59) for k in found}
    expect(
        found == mirrored,
        "Frequencies run from 1 to 29: k and 59 - k are the same waves.",
    )
    wrong, missing = found - _NEEDED, _NEEDED - found
    expect(
        not wrong,
        f"{len(wrong)} of yours can be taken out alone without any loss: ask for each of them by "
        "itself, and not for the group in which you found it.",
    )
    expect(
        not missing,
        f"All of yours are needed, and {len(missing)} more: one that is needed may raise the loss "
        "by a few thousandths only. Which groups have you not asked for, or not split to the end?",
    )
    return "The network needs these four, and none of the others."
