"""Linear probes: reading a concept from activations, and how far to trust the reading.

A probe is a direction and a bias. It says yes where `x @ direction + bias` is above 0.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.guards import (
    as_long_as,
    axes,
    binary,
    count,
    filled,
    finite,
    floating,
    guarded,
    index_of,
    no_zeros,
    number,
    plain,
    several,
    two_classes,
)

_ROWS = (axes(2), floating, finite)
_LABELS = (as_long_as("x"), two_classes)


def _holds_some_out(test: float, given: Mapping) -> str | None:
    n = len(set(given["groups"]))
    if 0 < round(test * n) < n:
        return None
    return f"is {test}, which holds {round(test * n)} of {n} groups out: leave some on both sides"


def _two_groups(groups: Sequence[Hashable], _: Mapping) -> str | None:
    return None if len(set(groups)) > 1 else "are all one: what was not trained on is to be tested"


def _a_fold_each(folds: int, given: Mapping) -> str | None:
    n = len(set(given["groups"]))
    return None if folds <= n else f"is {folds}, and there are {n} groups: take fewer"


def _a_label_each(y: Tensor, given: Mapping) -> str | None:
    n = given["x"].shape[1]
    return None if len(y) == n else f"has {len(y)} entries, and there are {n} rows"


def _a_label_each_score(labels: Tensor, given: Mapping) -> str | None:
    n = given["scores"].shape[-1]
    return None if len(labels) == n else f"has {len(labels)} entries, and there are {n} scores"


def _some_kept(kept: Tensor, _: Mapping) -> str | None:
    mixed = kept.dtype == torch.bool and bool(kept.any()) and not bool(kept.all())
    return None if mixed else "must be True for some rows, and False for others"


def _two_folds(fold: Tensor, _: Mapping) -> str | None:
    return (
        None if len(fold.unique()) > 1 else "are all one: what was not trained on is to be tested"
    )


def _numbered(group: Tensor, _: Mapping) -> str | None:
    whole = not group.is_floating_point() and len(group) and int(group.min()) == 0
    return None if whole else "must number the groups 0, 1, 2 and so on"


class Probe(NamedTuple):
    """A direction and a bias; it unpacks like the pair it is."""

    direction: Float[Tensor, " d_model"]
    bias: Float[Tensor, ""]

    def scores(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n"]:
        """Above 0 is a yes."""
        return x @ self.direction + self.bias

    @guarded(y=(as_long_as("x"), filled, binary))
    def accuracy(self, x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]) -> float:
        """The share of rows on the right side of 0; `y` holds 0 and 1."""
        return _is_right(self, x, y).mean().item()


@guarded(x=finite)
def _is_right(
    probe: Probe, x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """1.0 where the probe is on the right side of 0."""
    scores = probe.scores(x)
    if not scores.isfinite().all():
        raise ValueError("The probe holds NaN or infinity: look at what it was fitted to.")
    return ((scores > 0) == (y == 1)).float()


# What it returns unpacks into a direction and a bias, as a `Probe` does.
Fit = Callable[[Float[Tensor, "n d_model"], Int[Tensor, " n"]], Sequence]


@guarded(
    resid=axes(3),
    direction=(axes(1), finite, no_zeros),
    positions=(as_long_as("resid"), index_of("resid", 1)),
    partner=(as_long_as("resid"), index_of("resid")),
)
def exchange_along(
    resid: Float[Tensor, "batch pos d_model"],
    direction: Float[Tensor, " d_model"],
    positions: Int[Tensor, " batch"],
    partner: Int[Tensor, " batch"],
) -> Float[Tensor, "batch pos d_model"]:
    """A copy of `resid` in which each row's component along `direction` is its partner's.

    Args:
        direction: of any length: only the line it spans matters.
        positions: one for each row; all others stay as they are.
        partner: for each row, the number of the row whose component (at *its* position) it gets.
    """
    rows = torch.arange(len(resid), device=resid.device)
    positions, partner = positions.to(resid.device), partner.to(resid.device)
    unit = (direction / direction.norm()).to(resid)
    here = resid[rows, positions]
    change = (here[partner] - here) @ unit
    resid = resid.clone()
    resid[rows, positions] += change[:, None] * unit
    return resid


@guarded(x=_ROWS, y=_LABELS)
def mean_difference(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]) -> Probe:
    """Direction from the mean of the rows with label 0 to that of label 1.

    Its length is the distance of the means: it is not normalised. The bias puts the zero halfway
    between the two. Source: "mass-mean" probing in Marks and Tegmark, 2023 (arXiv 2310.06824).
    """
    yes, no = x[y == 1].mean(0), x[y == 0].mean(0)
    direction = yes - no
    return Probe(direction, -(yes + no) @ direction / 2)


@guarded(x=_ROWS, y=_LABELS, C=number(low=0, over=True))
def logistic(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"], *, C: float = 0.1) -> Probe:
    """Logistic regression on standardised coordinates, folded back into one direction and bias.

    Args:
        C: scikit-learn's inverse strength of the L2 penalty; smaller is stricter.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(0), x.std(0)
    scale = torch.where(scale > 1e-6 * scale.max(), scale, torch.inf)  # constant: nothing to read
    fitted = LogisticRegression(C=C, max_iter=1000).fit(((x - mean) / scale).numpy(), y.numpy())
    direction = torch.from_numpy(fitted.coef_[0]).float() / scale
    return Probe(direction, torch.tensor(fitted.intercept_[0]).float() - mean @ direction)


@guarded(groups=(several, plain, filled), test=(number(low=0, high=1), _holds_some_out))
def split_by_group(
    groups: Sequence[Hashable], *, test: float, generator: torch.Generator
) -> Bool[Tensor, " n"]:
    """True for the rows of the test set: a share of the groups, each of them whole.

    Args:
        groups: what each row belongs to. Rows of one group need not be neighbours.
        test: the share of *groups* to hold out, rounded to a whole number of groups.
        generator: of the draw: in another run of Python, the same one gives the same split.
    """
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=generator)
    chosen = {names[i] for i in order[: round(test * len(names))]}
    return torch.tensor([group in chosen for group in groups])


@guarded(groups=(several, plain, filled), folds=(count(low=2), _a_fold_each))
def folds_of(
    groups: Sequence[Hashable], *, folds: int = 5, generator: torch.Generator | None = None
) -> Int[Tensor, " n"]:
    """The fold of each row, from 0 to `folds` - 1; all rows of a group are in one fold.

    Args:
        groups: what each row belongs to, such as its pair.
        folds: at most as many as there are groups.
        generator: of the folds; without one, they are the same in each call.
    """
    names = list(dict.fromkeys(groups))
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.randperm(len(names), generator=generator).tolist()
    fold = {names[group]: i % folds for i, group in enumerate(order)}
    return torch.tensor([fold[group] for group in groups])


@guarded(
    x=(axes(3), finite),
    y=(_a_label_each, binary),
    fold=(_a_label_each, _two_folds),
)
def layer_sweep(
    x: Float[Tensor, "layer n d_model"],
    y: Int[Tensor, " n"],
    fold: Int[Tensor, " n"],
    *,
    fit: Fit,
) -> Float[Tensor, "layer n"]:
    """1.0 where a probe that was fitted at this layer on the *other* folds is right about a row.

    Args:
        y: labels, 0 and 1.
        fold: of each row, as `folds_of` gives it; any whole numbers will do.
        fit: takes x [rows, d_model] and y [rows], and gives a direction [d_model] and a bias,
            such as `mean_difference` does. A score above 0 says 1.
    """
    right = torch.zeros(x.shape[:2])
    for held in fold.unique():
        out = fold == held
        for layer in range(len(x)):
            direction, bias = fit(x[layer, ~out], y[~out])
            says = x[layer, out] @ direction + bias > 0
            right[layer, out] = (says == (y[out] == 1)).float()
    return right


@guarded(x=(axes(2), finite), groups=(plain, as_long_as("x"), _two_groups))
def cross_validated(
    x: Float[Tensor, "n d_model"],
    y: Int[Tensor, " n"],
    groups: Sequence[Hashable],
    *,
    fit: Fit,
    folds: int = 5,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " n"]:
    """`layer_sweep` of one layer, with the folds of `folds_of`: 1.0 where the probe is right."""
    fold = folds_of(groups, folds=folds, generator=generator)
    return layer_sweep(x[None], y, fold, fit=fit)[0]


@guarded(
    x=(axes(2), finite),
    y=(as_long_as("x"), binary),
    fold=(as_long_as("x"), _two_folds),
    kept=(as_long_as("x"), _some_kept),
)
def kept_and_left_out(
    x: Float[Tensor, "n d_model"],
    y: Int[Tensor, " n"],
    fold: Int[Tensor, " n"],
    kept: Bool[Tensor, " n"],
    *,
    fit: Fit,
) -> tuple[float, float]:
    """Cross-validated accuracy on the rows that a data set kept, and on those that it left out.

    The probe is fitted on the *kept* rows of the other folds only.

    Args:
        x, y: the complete table, of which the data set kept some rows.
        fold: of each row; rows of one group are in one fold.
        kept: True where the data set has the row, else False.
    """
    right = torch.zeros(len(y))
    for held in fold.unique():
        out = fold == held
        direction, bias = fit(x[~out & kept], y[~out & kept])
        says = x[out] @ direction + bias > 0
        right[out] = (says == (y[out] == 1)).float()
    return right[kept].mean().item(), right[~kept].mean().item()


@guarded(
    scores=finite,
    labels=(_a_label_each_score, binary),
    groups=(several, plain, as_long_as("labels"), filled),
)
def margins(
    scores: Float[Tensor, "*probe n"], labels: Int[Tensor, " n"], groups: Sequence[Hashable]
) -> Float[Tensor, "*probe group"]:
    """For each group: the score of its row of label 1 minus that of its row of label 0.

    The groups come in the order of their first rows.

    Raises:
        ValueError: a group has not exactly one row of each label.
    """
    found: dict[Hashable, dict[int, int]] = {}
    for i, (label, group) in enumerate(zip(labels.tolist(), groups, strict=True)):
        if label in found.setdefault(group, {}):
            raise ValueError(f"{group!r} has two rows of label {label}: give one of each.")
        found[group][label] = i
    if bad := [group for group, pair in found.items() if set(pair) != {0, 1}]:
        raise ValueError(f"{bad[0]!r} has rows of one label: give one of each.")
    yes, no = (scores[..., [pair[label] for pair in found.values()]] for label in (1, 0))
    return yes - no


def chooses_right(
    scores: Float[Tensor, "*probe n"], labels: Int[Tensor, " n"], groups: Sequence[Hashable]
) -> Float[Tensor, "*probe group"]:
    """1.0 where the margin of `margins` is above 0, and 0.5 at a tie: whatever the scores' zero."""
    gap = margins(scores, labels, groups)
    return (gap > 0).float() + 0.5 * (gap == 0).float()


class Pairs(NamedTuple):
    """Rows to test a direction on: for each group one of label 1, and one of label 0."""

    x: Float[Tensor, "n d_model"]
    labels: Int[Tensor, " n"]
    groups: Sequence[Hashable]

    def margins(
        self, directions: Float[Tensor, "*direction d_model"]
    ) -> Float[Tensor, "*direction group"]:
        """`margins` of each direction's scores."""
        return margins(directions @ self.x.T, self.labels, self.groups)


@guarded(x=_ROWS, y=_LABELS, group=(as_long_as("x"), _numbered), n=count())
def control_directions(
    x: Float[Tensor, "n_rows d_model"],
    y: Int[Tensor, " n_rows"],
    group: Int[Tensor, " n_rows"],
    *,
    fit: Fit,
    n: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, "n d_model"]]:
    """Directions that know nothing of y, of two kinds, to stand beside the probe of (x, y).

    Args:
        group: the number of each row's group, 0, 1, 2 and so on.
        fit: gives a direction and a bias.
        n: how many directions of each kind.
        generator: of both kinds.

    Returns:
        Directions drawn at random, all equally likely, each as long as the probe's own direction;
        and the directions of probes fitted to *turned* labels: a fair coin for each group says
        whether all its labels are turned round, 0 to 1 and 1 to 0, or none.
    """
    random = torch.randn(n, x.shape[1], generator=generator)
    random *= fit(x, y)[0].norm() / random.norm(dim=1, keepdim=True)
    coins = torch.randint(2, (n, int(group.max()) + 1), generator=generator)
    turned = [fit(x, torch.where(coin[group] == 1, 1 - y, y))[0] for coin in coins]
    return random, torch.stack(turned)


@guarded(
    x=(axes(2), finite),
    labels=(as_long_as("x"), binary),
    negated=(as_long_as("x"), two_classes),
    topics=(several, plain, as_long_as("x")),
)
def truth_directions(
    x: Float[Tensor, "n d_model"],
    labels: Int[Tensor, " n"],
    negated: Int[Tensor, " n"],
    topics: Sequence[Hashable],
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """The general truth direction t_G and the polarity-sensitive one, t_P, by least squares.

    The model of each row is `x = mu + tau * t_G + tau * p * t_P`: tau is 1 for true and -1 for
    false statements, p is 1 for affirmative and -1 for negated ones, and mu is the mean of all
    rows of the same topic *and* the same p.

    Source: Bürger et al., 2024 (arXiv 2407.12831).

    Args:
        labels: 1 true, 0 false.
        negated: 1 where the statement has a "not", else 0.
        topics: what each row is about.
    """
    centred = x.clone()
    tables = list(zip(topics, negated.tolist(), strict=True))
    for table in set(tables):
        rows = torch.tensor([each == table for each in tables])
        centred[rows] -= x[rows].mean(0)
    tau, p = 2.0 * labels - 1, 1.0 - 2 * negated
    t_g, t_p = torch.linalg.lstsq(torch.stack([tau, tau * p], dim=1), centred).solution
    return t_g, t_p


@guarded(x=_ROWS, y=_LABELS, hidden=count(), steps=count())
def fit_mlp(
    x: Float[Tensor, "n d_model"],
    y: Int[Tensor, " n"],
    *,
    hidden: int = 32,
    steps: int = 200,
    generator: torch.Generator,
) -> Callable[[Float[Tensor, "m d_model"]], Float[Tensor, " m"]]:
    """A two-layer probe: what it returns maps rows to scores, and above 0 is a yes.

    Linear, ReLU, linear; trained on all rows at once with the binary cross-entropy of its scores,
    by AdamW with a learning rate of 0.003 and a weight decay of 0.01. Inputs are standardised by
    the training rows' mean and standard deviation, [d_model] each.

    Args:
        hidden: how many ReLUs.
        generator: of the first weights, which come from a normal distribution with standard
            deviation 0.05; biases start at 0. Nothing is drawn from torch's global generator.
    """
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-6)
    weights = [
        0.05 * torch.randn(x.shape[1], hidden, generator=generator),
        torch.zeros(hidden),
        0.05 * torch.randn(hidden, generator=generator),
        torch.zeros(()),
    ]
    for weight in weights:
        weight.requires_grad_()

    def scores(rows):
        inside = ((rows - mean) / scale) @ weights[0] + weights[1]
        return inside.relu() @ weights[2] + weights[3]

    optimizer = torch.optim.AdamW(weights, lr=0.003, weight_decay=0.01)
    for _ in range(steps):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores(x), y.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return lambda rows: scores(rows).detach()
