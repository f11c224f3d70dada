"""A planted shift: texts with and without a marker, and rivals that read a class from them.

A rival is a probe of the residual stream's mean, or of a dictionary's latents.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from utils.features.dashboards import Activity, Corpus, activity, average, by_text, corpus
from utils.features.guards import at_most, of_texts, precise
from utils.features.sae import TopKSAE
from utils.guards import (
    as_long_as,
    axes,
    binary,
    count,
    filled,
    finite,
    guarded,
    number,
    two_classes,
)
from utils.reading import probes

# ---- Probes -------------------------------------------------------------------------------------


_ROWS = (axes(2), precise, finite)
_LABELS = (as_long_as("x"), two_classes)


@guarded(x=_ROWS, y=_LABELS, k=(count(), at_most("x", 1)))
def choose_columns(x: Float[Tensor, "n d"], y: Int[Tensor, " n"], k: int) -> Int[Tensor, " k"]:
    """The k columns whose class means differ most, in standard deviations of the column; any order.

    Args:
        x: such as the highest activation of each latent in each text. Some columns never vary:
            they come last.
        y: labels, 0 and 1.
    """
    gap = (x[y == 1].mean(0) - x[y == 0].mean(0)).abs()
    spread = x.std(0)
    return (gap / (spread + 1e-3 * spread.max())).topk(k).indices


@guarded(x=_ROWS, y=_LABELS, k=(count(), at_most("x", 1)), C=number(low=0, over=True))
def sparse_probe(
    x: Float[Tensor, "n d"], y: Int[Tensor, " n"], *, k: int, C: float = 0.1
) -> probes.Probe:
    """Logistic regression on the columns that `choose_columns` gives.

    TransformerLens's `fit_sparse_probe` chooses by the difference of means alone, without the
    standard deviations, and tests on a part of the same rows: not on a shift.

    Returns:
        A probe on all columns, zero on those not chosen.
    """
    chosen = choose_columns(x, y, k)
    found = probes.logistic(x[:, chosen], y, C=C)
    return probes.Probe(torch.zeros(x.shape[1]).index_add_(0, chosen, found.direction), found.bias)


@guarded(x=_ROWS, y=_LABELS)
def whitened(x: Float[Tensor, "n d"], y: Int[Tensor, " n"]) -> probes.Probe:
    """The mean difference, divided by the spread within the classes.

    The average variance is added in every direction, so that few rows are enough.
    (scikit-learn's LinearDiscriminantAnalysis with solver="lsqr" and shrinkage=0.5 gives the same
    direction, in three times the time.)
    """
    middle = [x[y == label].mean(0) for label in (0, 1)]
    within = torch.cat([x[y == label] - middle[label] for label in (0, 1)])
    cov = within.T @ within / len(x)
    cov = cov + cov.trace() / len(cov) * torch.eye(len(cov))
    direction = torch.linalg.solve(cov, middle[1] - middle[0])
    return probes.Probe(direction, -(middle[0] + middle[1]) @ direction / 2)


# ---- The texts ----------------------------------------------------------------------------------

RIVALS: dict[str, tuple[str, Callable[[Tensor, Tensor], probes.Probe]]] = {
    "stream": ("stream", probes.logistic),
    "stream, whitened": ("stream", whitened),
    "all latents": ("latents", probes.logistic),
    "1 latent": ("latents", partial(sparse_probe, k=1)),
    "16 latents": ("latents", partial(sparse_probe, k=16)),
    "16 latents, means": ("latent means", partial(sparse_probe, k=16)),
    "16 dense": ("dense", partial(sparse_probe, k=16)),
    "16 random": ("random", partial(sparse_probe, k=16)),
}


@guarded(x=(axes(2), of_texts()))
def views(
    x: Float[Tensor, "token d"], found: Activity, chance: Activity, texts: Corpus
) -> dict[str, Tensor]:
    """The texts as rows, in each kind that a rival looks at.

    "dense" has as many columns as there are latents, each the stream along a random direction.

    Args:
        found: of the dictionary's latents.
        chance: of random directions in their place.
    """
    stream = average(x, texts)
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(found.d_sae, x.shape[1], generator=generator)
    return {
        "stream": stream,
        "dense": stream @ F.normalize(directions).T,
        "latents": by_text(found, texts),
        "latent means": by_text(found, texts, how="mean"),
        "random": by_text(chance, texts),
    }


def _known_rival(rival: str, _: Mapping) -> str | None:
    return None if rival in RIVALS else f"is {rival!r}; choose from {', '.join(map(repr, RIVALS))}"


def _sparse_rival(rival: str, _: Mapping) -> str | None:
    sparse = [name for name, (_, fit) in RIVALS.items() if isinstance(fit, partial)]
    known = ", ".join(map(repr, sparse))
    return None if rival in sparse else f"is {rival!r}, which chooses no columns: one of {known}"


class Marked(NamedTuple):
    """Texts of two classes, each without and with a marker, as rows in several kinds.

    Attributes:
        y: labels, 0 and 1.
        subjects: what to hold out as a whole.
        plain: kind -> [text, ...], without the marker.
        marked: the same, with it.
    """

    y: Int[Tensor, " text"]
    subjects: list[str]
    plain: dict[str, Tensor]
    marked: dict[str, Tensor]

    def changed(self, kind: str, rows: Bool[Tensor, " text"]) -> Bool[Tensor, " column"]:
        """The columns that the marker moves by more than a tenth of a standard deviation."""
        plain, marked = self.plain[kind][rows], self.marked[kind][rows]
        return (marked - plain).mean(0).abs() > 0.1 * plain.std(0)

    @guarded(rival=(_known_rival, _sparse_rival), p=number(low=0, high=1))
    def sign(self, rival: str, p: float, *, split: int = 0) -> float:
        """How well a column that a sparse rival `chosen` tells marked texts from plain ones.

        Balanced accuracy, by a threshold half way between the two means; a mean over the columns.
        """
        kind, columns = RIVALS[rival][0], self.chosen(rival, p, split=split)
        plain, marked = self.plain[kind][:, columns], self.marked[kind][:, columns]
        gap, middle = marked.mean(0) - plain.mean(0), (marked.mean(0) + plain.mean(0)) / 2
        hits = [((each - middle) * gap > 0).float().mean() for each in (marked, plain)]
        return (1 + hits[0] - hits[1]).item() / 2

    @guarded(rival=_known_rival, p=number(low=0, high=1), split=count(low=0))
    def right(
        self,
        rival: str,
        p: float,
        *,
        split: int,
        remove: bool = False,
        shuffle: bool = False,
    ) -> Float[Tensor, " text"]:
        """1.0 for each test text that a rival gets right, nan for the training texts.

        Half of the subjects train. There a share p of class 1 and 1 - p of class 0 have the marker;
        among the test texts it is the other way round.

        Args:
            rival: a name in `RIVALS`.
            split: the number of a random split; each has generators of its own.
            remove: take the marker out of what the rival sees, as the training texts show it: the
                direction of the mean change, or the columns that `changed` gives.
            shuffle: train on shuffled labels, a control.
        """
        kind, fit = RIVALS[rival]
        seen, test = self._seen(kind, p, split=split)
        plain, marked = self.plain[kind], self.marked[kind]
        generator = torch.Generator().manual_seed(split + 1000)
        if remove:
            gap = (marked - plain)[~test].mean(0)
            if kind in ("stream", "dense"):
                seen = seen - torch.outer(seen @ gap / (gap @ gap), gap)
            else:
                seen = torch.where(self.changed(kind, ~test), 0, seen)
        train = (~test).nonzero()[:, 0]
        train = train[torch.randperm(len(train), generator=generator)]
        targets = self.y[train]
        if shuffle:
            targets = targets[torch.randperm(len(targets), generator=generator)]
        found = torch.full((len(self.y),), torch.nan)
        scores = fit(seen[train], targets).scores(seen[test])
        found[test] = ((scores > 0) == (self.y[test] == 1)).float()
        return found

    @guarded(rival=(_known_rival, _sparse_rival), p=number(low=0, high=1), split=count(low=0))
    def chosen(self, rival: str, p: float, *, split: int) -> Int[Tensor, " k"]:
        """The columns that a sparse rival chooses in one split."""
        kind, fit = RIVALS[rival]
        seen, test = self._seen(kind, p, split=split)
        return fit(seen[~test], self.y[~test]).direction.nonzero()[:, 0]

    def _seen(self, kind: str, p: float, *, split: int) -> tuple[Tensor, Bool[Tensor, " text"]]:
        """The rows with their markers, and which are for testing."""
        own, other = (torch.Generator().manual_seed(split) for _ in range(2))
        test = probes.split_by_group(self.subjects, test=0.5, generator=own)
        luck = torch.rand(len(self.y), generator=other)
        in_training = torch.where(self.y == 1, luck < p, luck >= p)
        has_marker = torch.where(test, ~in_training, in_training)
        return torch.where(has_marker[:, None], self.marked[kind], self.plain[kind]), test

    @guarded(splits=count())
    def accuracy(
        self, rival: str, p: float, *, splits: int = 5, **options
    ) -> Float[Tensor, " text"]:
        """`right` of each text, a mean over the splits in which it is tested; nan if never."""
        runs = [self.right(rival, p, split=split, **options) for split in range(splits)]
        return torch.stack(runs).nanmean(0)


@guarded(
    rows=filled,
    marker=filled,
    labels=(as_long_as("rows"), binary),
    subjects=as_long_as("rows"),
)
def marked_texts(
    vectors: Callable[[list[Tensor]], Float[Tensor, "token d"]],
    rows: Sequence[Int[Tensor, " _"]],
    marker: Int[Tensor, " end"],
    labels: Int[Tensor, " text"],
    subjects: list[str],
    dictionaries: tuple[TopKSAE, TopKSAE],
) -> Marked:
    """Texts without and with a marker at their end.

    What stands before the marker cannot see it, so one run gives the vectors of both.

    Args:
        vectors: harvests.
        dictionaries: the one with latents, and the one of random directions.
    """
    whole = [torch.cat([row, marker]) for row in rows]
    x, ends = vectors(whole), torch.tensor([len(row) for row in rows])
    bare = torch.cat([torch.arange(n + len(marker)) < n for n in ends])
    both = [activity(each.encode, x, k=each.k) for each in dictionaries]
    without = views(x[bare], *(each.at(bare) for each in both), corpus(rows))
    return Marked(labels, subjects, without, views(x, *both, corpus(whole)))
