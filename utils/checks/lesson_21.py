"""Checks of lesson 2.1, a probe that looks like truth."""

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from utils.checks.engine import Wrong, exercise, expect, investigation, match
from utils.checks.inputs import described


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _means(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A probe for the fixtures: the difference of means, with a bias that is not halfway."""
    yes, no = x[y == 1].mean(0), x[y == 0].mean(0)
    return yes - no, -(0.3 * yes + 0.7 * no) @ (yes - no)


class Spy:
    """Its `fit` is a plain function, and keeps what it was given and what it returned."""

    def __init__(self):
        self.x, self.y, self.directions = [], [], []
        self.fit = lambda x, y: self(x, y)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        labels = set(torch.as_tensor(y).tolist())
        expect(
            labels == {0, 1},
            f"`fit` was given rows with the labels {sorted(labels)}: it needs rows of both, 0 and "
            "1. Did you select rows and labels by the same mask?",
        )
        expect(
            len(x) == len(y), f"`fit` was given {len(x)} rows of x and {len(y)} labels: one each."
        )
        self.x.append(x.clone())
        self.y.append(y.clone())
        direction, bias = _means(x, y)
        self.directions.append(direction)
        return direction, bias


@exercise("utils.reading.probes.mean_difference", course_only=True)
def check_mean_difference(mean_difference) -> str:
    """Two clouds far from the origin, with unlike numbers of rows; then one row against three."""
    y = torch.tensor([1, 0, 0, 1, 0, 0, 0])
    shift = torch.tensor([1.0, 0.0, -1.0, 2.0])
    x = torch.randn(7, 4, generator=seeded(1)) + 3 + 2 * y[:, None] * shift
    _is_mean_difference(mean_difference(x, y), x, y, "")
    x, y = x[2:6] - 5, torch.tensor([1, 1, 0, 1])
    _is_mean_difference(mean_difference(x, y), x, y, " where one label has a single row")
    return "From the one mean to the other, and zero halfway."


def _is_mean_difference(got, x: torch.Tensor, y: torch.Tensor, where: str) -> None:
    yes, no = x[y == 1].mean(0), x[y == 0].mean(0)
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        "Return two things: the direction, [d_model], and the bias, a single number.",
    )
    direction, bias = got
    gap = yes - no
    rows = "`x[y]` with labels 0 and 1 takes rows 0 and 1, again and again. Compare first: "
    match(
        direction,
        gap,
        what=f"The direction{where}",
        mistakes={
            "The direction points from true to false: turn it round.": -gap,
            "The direction has length 1. Leave it as the plain difference: bias and scores are in "
            "its units.": gap / gap.norm(),
            "That is the mean of the true rows alone: take the other mean away.": yes,
            "That is the mean of label 1 minus the mean of *all* rows.": yes - x.mean(0),
            "Those are sums: take the mean of each class.": x[y == 1].sum(0) - x[y == 0].sum(0),
            "That is a direction over rows: average over the rows (axis 0), and keep d_model.": (
                x[y == 1].mean() - x[y == 0].mean()
            ),
            "You divided each class by the number of *all* rows.": (
                x[y == 1].sum(0) - x[y == 0].sum(0)
            )
            / len(y),
            rows + "`x[y == 1]`.": x[y].mean(0) - x[1 - y].mean(0),
            rows + "`x[y == 1]` and `x[y == 0]`.": x[y].mean(0) - x[~y].mean(0),
            "The signs are lost: the direction goes down where label 1 is lower.": gap.abs(),
        },
    )
    middle = (yes + no) @ gap / 2
    match(
        bias,
        -middle,
        what=f"The bias{where}",
        mistakes={
            "The bias is missing (0). Far from the origin every row then gets the same answer. The "
            "score must be 0 halfway between the two means.": torch.tensor(0.0),
            "The sign of the bias: it takes the midpoint's score away.": middle,
            "The bias is twice too large: the midpoint is *half* the sum of the two means.": (
                -2 * middle
            ),
            "That is the mean of all rows. With more rows of one label it lies nearer to that "
            "class: use the mean of the two means.": -x.mean(0) @ gap,
            "That puts the zero at the mean of the false class.": -no @ gap,
            "That puts the zero at the mean of the true class.": -yes @ gap,
            "That is the bias of a direction of length 1; yours is longer.": -middle / gap.norm(),
            "The bias is a single number: multiply the midpoint with the direction.": -(yes + no)
            / 2,
        },
    )


# ---- The sweep ----------------------------------------------------------------------------------


def _swept(
    x: Tensor,
    y: Tensor,
    fold: Tensor,
    *,
    fitted: Callable[[Tensor], Tensor] = lambda out: ~out,
    tested: Callable[[Tensor], Tensor] = lambda out: out,
    layer_of: Callable[[int], int] = lambda layer: layer,
    folds: Sequence[int] | None = None,
    bias: float = 1.0,
    judged: Callable[[Tensor, Tensor], Tensor] = lambda scores, y: (scores > 0) == (y == 1),
) -> Tensor:
    """The sweep, with a place for each mistake."""
    right = torch.zeros(x.shape[:2])
    for held in fold.unique().tolist() if folds is None else folds:
        out = fold == held
        for layer in range(len(x)):
            direction, own = _means(x[layer_of(layer), fitted(out)], y[fitted(out)])
            scores = x[layer_of(layer), tested(out)] @ direction + bias * own
            right[layer, tested(out)] = judged(scores, y[tested(out)]).float()
    return right


@exercise("utils.reading.probes.layer_sweep")
def check_layer_sweep(layer_sweep) -> str:
    """Three layers, of which each reads the labels less well; four folds, of unlike size and name.

    Then one layer and two folds. Each fold has rows of both labels.
    """
    for seed, n_layers, fold, y in (
        (
            0,
            3,
            torch.tensor([6, 1, -8, 6, 3, 1, -8, 1, 6, -8, 3, 6, 6, 1, -8, 6, 1, 3, 1, 1]),
            torch.tensor([1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0]),
        ),
        (
            1,
            1,
            torch.tensor([3, 0, 0, 3, 3, 0, 0, 3, 0, 0]),
            torch.tensor([1, 0, 1, 0, 0, 0, 1, 1, 0, 0]),
        ),
    ):
        x = torch.randn(n_layers, len(fold), 4, generator=seeded(seed)) + 2
        x = x + (torch.tensor([1.0, -1, 0.5, 0]) * y[:, None])[None] * torch.linspace(
            1, 0.3, n_layers
        ).view(-1, 1, 1)
        spy = Spy()
        got = layer_sweep(x, y, fold, fit=spy.fit)
        right = _swept(x, y, fold)
        expect(
            bool(spy.y),
            "`fit` was not called: fit the probe with the function that is handed over.",
        )
        expect(
            any(len(each) < len(y) for each in spy.y),
            "The probe was fitted to all rows, also those that it is tested on. Fit it on the rows "
            "of the other folds.",
        )
        match(
            got,
            right,
            what="What is right at each layer",
            mistakes={
                "The probe was fitted on the fold that is held out, and tested on the others: turn "
                "the mask round.": _swept(
                    x, y, fold, fitted=lambda out: out, tested=lambda out: ~out
                ),
                "The probe is tested on the rows that it was fitted to: test it on the fold that "
                "was held out.": _swept(x, y, fold, tested=lambda out: ~out),
                "The bias is missing: the score is `x @ direction + bias`.": _swept(
                    x, y, fold, bias=0.0
                ),
                "The bias has the wrong sign: it is added.": _swept(x, y, fold, bias=-1.0),
                "Every layer got the probe of layer 0: index `x` by the layer too.": _swept(
                    x, y, fold, layer_of=lambda layer: 0
                ),
                "Every layer got the probe of the last layer: index `x` by the layer too.": _swept(
                    x, y, fold, layer_of=lambda layer: -1
                ),
                "You took the folds to be 0, 1, 2 and so on. They may have any numbers: "
                "`fold.unique()` lists them.": _swept(x, y, fold, folds=range(len(fold.unique()))),
                "You took the folds to be 0 to 4. They may have any numbers: `fold.unique()` "
                "lists them.": _swept(x, y, fold, folds=range(5)),
                "The folds run up to the highest number, and that one was left out: "
                "`fold.unique()` lists them all.": _swept(
                    x, y, fold, folds=fold.unique()[:-1].tolist()
                ),
                "Only one fold was held out: hold out each in turn.": _swept(
                    x, y, fold, folds=[int(fold.unique()[0])]
                ),
                "Only the last fold was kept: are you making `right` anew in each fold?": _swept(
                    x, y, fold, folds=[int(fold.unique()[-1])]
                ),
                "That is 1.0 where the probe says 1. Compare what it says with the label.": (
                    (right == 1) == (y == 1)
                ).float(),
                "That is 1.0 where the probe is wrong.": 1 - right,
                "Those are the scores. Where one is above 0 the probe says 1: compare that with "
                "the label.": _swept(x, y, fold, judged=lambda scores, y: scores),
                "You compared the scores with 0.5. They are no probabilities: above 0 the probe "
                "says 1.": _swept(x, y, fold, judged=lambda s, y: (s > 0.5) == (y == 1)),
                "The axes are swapped: return [layer, n].": right.T,
                "That is the accuracy at each layer. Return 1.0 or 0.0 for each row: the lesson "
                "takes the mean.": right.mean(1),
            },
        )
        expect(
            got.is_floating_point(),
            "Return 1.0 and 0.0, and not True and False or whole numbers, which have no mean in "
            "torch: `.float()`.",
        )
    return "Each row judged by probes that have not seen its fold, at each layer."


# ---- Directions that know nothing --------------------------------------------------------


@exercise("utils.reading.probes.control_directions")
def check_control_directions(control_directions) -> str:
    """Eight groups of one to four rows, and one coordinate that varies most."""
    n = 100
    group = torch.tensor([0, 1, 1, 2, 0, 2, 3, 3, 4, 5, 4, 5, 0, 1, 6, 7, 6, 7, 0, 3])
    for seed in (0, 1):
        y = torch.tensor([1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0])
        y = 1 - y if seed else y
        x = torch.randn(len(y), 5, generator=seeded(seed)) + 2 + y[:, None]
        x[:, 0] *= 30
        spy = Spy()
        got = control_directions(x, y, group, fit=spy.fit, n=n, generator=seeded(seed))
        expect(
            isinstance(got, tuple | list)
            and len(got) == 2
            and all(isinstance(each, Tensor) and each.shape == (n, 5) for each in got),
            f"Return two tensors [n, d_model], here [{n}, 5]: random directions, and those of "
            f"turned labels. You returned {described(got)}.",
        )
        expect(bool(spy.y), "`fit` was not called: fit with the function that is handed over.")
        _are_turned(got, x, y, group, spy)
        _are_random(got[0], _means(x, y)[0])
    for what, i in (("random directions", 0), ("turned labels", 1)):
        first, same, other = (
            control_directions(x, y, group, fit=Spy().fit, n=n, generator=seeded(each))[i]
            for each in (7, 7, 8)
        )
        expect(
            torch.equal(first, same),
            f"The same generator gives other {what}: draw with `generator=generator`.",
        )
        expect(
            not torch.equal(first, other),
            f"Every generator gives the same {what}: draw with `generator=generator`.",
        )
        used = seeded(7)
        once, then = (
            control_directions(x, y, group, fit=Spy().fit, n=n, generator=used)[i] for _ in range(2)
        )
        expect(
            not torch.equal(once, then),
            f"Used again, the generator gives the same {what}: draw with it as it is, and set no "
            "seed.",
        )
    return "Two kinds of directions that know nothing of the labels."


def _are_turned(got, x: Tensor, y: Tensor, group: Tensor, spy: Spy) -> None:
    n = len(got[1])
    expect(
        all(torch.equal(each, x) for each in spy.x),
        "Some probe was fitted to other rows than `x`: change the labels only.",
    )
    turns = [each for each in spy.y if not torch.equal(each, y)]
    expect(
        bool(turns),
        "No probe was fitted to other labels than `y`: turn those of some groups, `1 - y`.",
    )
    members = [group == number for number in group.unique()]
    torn = [
        each for each in turns if any(len((each[rows] != y[rows]).unique()) > 1 for rows in members)
    ]
    expect(
        not torn,
        "The labels of one group were torn apart: a coin for each *group*, `coin[group]`, turns "
        "all its labels or none.",
    )
    coins = torch.tensor([[bool(each[r][0] != y[r][0]) for r in members] for each in turns])
    expect(
        len(coins.unique(dim=0)) > 1,
        "All turned labels are the same: toss the coins anew for each of the `n` probes.",
    )
    expect(
        len(turns) <= n,
        f"{len(turns)} probes were fitted to turned labels, and n is {n}.",
    )
    alike = torch.corrcoef(coins.float().T).nan_to_num(0).fill_diagonal_(0).abs().max()
    expect(
        float(alike) < 0.9, "Several groups have one coin between them: toss one for each group."
    )
    share = coins.float().mean(0)
    expect(
        bool((share > 0.3).all() and (share < 0.7).all()) and len(coins.unique(dim=0)) > n / 4,
        "The coins are not fair, or some groups have none: each group should be turned in about "
        "half of the probes.",
    )
    fitted = torch.stack(spy.directions)
    swapped = all(bool((fitted == each).all(-1).any()) for each in got[0])
    expect(
        not swapped,
        "The two are swapped: random directions come first, those of turned labels second.",
    )
    same, opposite = (
        all(float((fitted - sign * each).abs().sum(1).min()) < 1e-4 for each in got[1])
        for sign in (1, -1)
    )
    expect(
        same or not opposite,
        "The directions of turned labels point the other way than those that `fit` returned.",
    )
    expect(
        same,
        "The directions of turned labels are not those that `fit` returned: keep each probe's "
        "direction as it is.",
    )
    expect(
        len(got[1].unique(dim=0)) > n / 4,
        "Many of the directions of turned labels are the same one: keep each probe's own.",
    )


def _are_random(random: Tensor, probe: Tensor) -> None:
    lengths = random.norm(dim=1)
    expect(
        len(random.unique(dim=0)) == len(random),
        "Some random directions are the same: draw each of them.",
    )
    unit = random / lengths[:, None]
    expect(
        float((unit**2).mean(0).max()) < 0.45,
        "The random directions favour some coordinate: draw them with `torch.randn`, and do not "
        "scale its coordinates.",
    )
    expect(
        float(unit.mean(0).abs().max()) < 0.35,
        "The random directions lie to one side: `torch.randn` draws them from a normal "
        "distribution, `torch.rand` between 0 and 1.",
    )
    match(
        lengths,
        torch.full_like(lengths, float(probe.norm())),
        what="The lengths of the random directions",
        mistakes={
            "They have length 1: make them as long as the probe's direction.": torch.ones_like(
                lengths
            ),
            "They differ from one another: divide each by its own norm, with `dim=1, "
            "keepdim=True`, then multiply.": lengths
            if float(lengths.std() / lengths.mean()) > 0.05
            else torch.full_like(lengths, torch.nan),
        },
    )


# ---- Two directions -----------------------------------------------------------------------------


def _least_squares(x: Tensor, columns: list[Tensor]) -> Tensor:
    return torch.linalg.pinv(torch.stack(columns, dim=1)) @ x


@exercise("utils.reading.probes.truth_directions")
def check_truth_directions(truth_directions) -> str:
    """Two topics, both polarities, with means of their own, in mixed order.

    Tables are of unlike size, and hold more true or more false rows: where both are as many,
    `mu` makes no difference.
    """
    for seed in (0, 1):
        sizes = {("a", 0): (6, 2), ("a", 1): (1, 4), ("b", 0): (2, 5), ("b", 1): (8, 3)}
        tables = [key for key, size in sizes.items() for _ in range(sum(size))]
        label = torch.tensor([i < true for true, no in sizes.values() for i in range(true + no)])
        label = label.long()
        order = torch.randperm(len(tables), generator=seeded(seed)).tolist()
        tables, label = [tables[i] for i in order], label[order]
        topics = [topic for topic, _ in tables]
        negated = torch.tensor([n for _, n in tables])
        tau, p = 2.0 * label - 1, 1.0 - 2 * negated
        g, q = torch.randn(2, 4, generator=seeded(seed + 5))
        mu = {key: 2 + 3 * torch.randn(4, generator=seeded(i + 9)) for i, key in enumerate(sizes)}
        noise = 0.3 * torch.randn(len(tables), 4, generator=seeded(seed + 30))
        x = torch.stack([mu[key] for key in tables]) + tau[:, None] * g
        x = x + (tau * p)[:, None] * q + noise

        def centred(keys: Sequence, x: Tensor = x) -> Tensor:
            out = x.clone()
            for key in set(keys):
                rows = torch.tensor([each == key for each in keys])
                out[rows] = x[rows] - x[rows].mean(0)
            return out

        middle = centred(tables)
        right = _least_squares(middle, [tau, tau * p])
        got = truth_directions(x, label, negated, topics)
        expect(
            isinstance(got, tuple | list | Tensor) and len(got) == 2,
            "Return two directions, t_G and t_P, [d_model] each.",
        )
        expect(
            all(isinstance(each, Tensor) for each in got),
            "Return the two directions as tensors, [d_model] each: the lesson computes with them.",
        )
        expect(
            all(each.shape == (4,) for each in got),
            f"Return two directions of 4 numbers, as wide as x, and not {described(got)}.",
        )
        both = torch.stack(list(got))
        dummies = [torch.tensor([each == key for each in tables]).float() for key in sizes]
        halfway = x.clone()
        for dummy in dummies:
            rows = dummy == 1
            halfway[rows] -= sum(x[rows & (label == one)].mean(0) for one in (0, 1)) / 2
        gaps = [
            (x[(label == 1) & (negated == n)].mean(0) - x[(label == 0) & (negated == n)].mean(0))
            / 2
            for n in (0, 1)
        ]
        halves = torch.stack([(gaps[0] + gaps[1]) / 2, (gaps[0] - gaps[1]) / 2])
        single = torch.stack([middle.T @ tau / len(tau), middle.T @ (tau * p) / len(tau)])
        match(
            both,
            right,
            what="t_G and t_P",
            mistakes={
                "The two are swapped: t_G goes with tau, t_P with tau * p.": right.flip(0),
                "t_P has the wrong sign: p is 1 for affirmative statements, where `negated` is "
                "0.": right * torch.tensor([[1.0], [-1.0]]),
                "mu is not subtracted: x holds more than the two directions.": _least_squares(
                    x, [tau, tau * p]
                ),
                "You subtracted one mean of all rows: mu is the mean of the rows of the same topic "
                "and polarity.": _least_squares(x - x.mean(0), [tau, tau * p]),
                "mu is the mean of the rows of the same topic *and* polarity; you took the topic "
                "alone.": _least_squares(centred(topics), [tau, tau * p]),
                "mu is the mean of the rows of the same topic *and* polarity; you took the "
                "polarity alone.": _least_squares(centred(negated.tolist()), [tau, tau * p]),
                "You subtracted the topic's mean and the polarity's mean: mu is the mean of the "
                "rows that share *both*, which is another number.": _least_squares(
                    centred(negated.tolist(), centred(topics)), [tau, tau * p]
                ),
                "The columns were multiplied with x, and not fitted: divide by what they have "
                "in common with themselves, as least squares does.": single * len(tau),
                "tau must be 1 and -1; you used the labels 1 and 0.": _least_squares(
                    middle, [label.float(), label * p]
                ),
                "p must be 1 and -1; you used `negated`, 0 and 1.": _least_squares(
                    middle, [tau, tau * negated]
                ),
                "p must be 1 and -1; you used 1 and 0.": _least_squares(
                    middle, [tau, tau * (1 - negated)]
                ),
                "The second column is tau * p, and not p.": _least_squares(middle, [tau, p]),
                "Each direction was fitted alone. Fit both at once: they overlap where there are "
                "more statements of one polarity.": single,
                "Those are the probes of the two polarities, t_G + t_P and t_G - t_P: their half "
                "sum and half difference are asked for.": torch.stack(
                    [right[0] + right[1], right[0] - right[1]]
                ),
                "The directions are twice too long: from the mean of the false to the mean of the "
                "true statements it is two steps of tau.": 2 * right,
                "mu is the mean of the rows of a table, and not halfway between its true and its "
                "false ones.": _least_squares(halfway, [tau, tau * p]),
                "Those are half the differences of the means. Where there are more true rows, or "
                "more false ones, least squares gives something else.": halves,
                "mu was fitted together with the directions: subtract the means of the rows first, "
                "then fit.": _least_squares(x, [tau, tau * p, *dummies])[:2],
                "A constant was fitted too: there are two columns, tau and tau * p.": (
                    _least_squares(middle, [tau, tau * p, torch.ones(len(x))])[:2]
                ),
                "The directions have length 1: leave them as the fit gives them.": right
                / right.norm(dim=1, keepdim=True),
            },
        )
    return "One direction for truth, and one that turns round with the polarity."


# ---- The investigation --------------------------------------------------------------------------

ASIA = [
    *("China", "Turkey", "Vietnam", "Pakistan", "India", "Bangladesh", "Japan", "Indonesia"),
    *("Iran", "Syria", "Iraq", "Mongolia", "Cambodia", "Jordan", "Saudi Arabia", "South Korea"),
    *("the United Arab Emirates", "the Philippines"),
]
READS = ("answer", "not", "continent", "alphabet")
COLLECTED = {"P": ("continent", 0.28), "Q": ("not", 0.0), "R": ("answer", 0.87)}
# How far other folds go from that; and the score on rows whose twins the probe was fitted to.
FOLDS_DIFFER = {"P": 0.06, "Q": 0.03, "R": 0.025}
SEEN = {"P": 0.05, "Q": 0.0, "R": 0.84}
KEPT = {"P": 0.84, "Q": 1.0, "R": 0.9}


def collected(
    tables: Mapping[tuple[str, int], Sequence[Mapping]],
) -> dict[str, tuple[list[dict], list[dict]]]:
    """Three data sets: the rows that each kept of its tables and those it left out, shuffled."""
    coin = random.Random(0)
    half = {(row["pair"], row["subject"]): coin.random() < 0.5 for row in tables["opposites", 0]}
    sources = {
        "P": ([("cities", 0)], lambda row: row["shown"] in ASIA),
        "Q": ([("capitals", 0), ("capitals", 1)], lambda row: not row["negated"]),
        "R": ([("opposites", 0)], lambda row: half[row["pair"], row["subject"]]),
    }
    found = {}
    for name, (keys, has) in sources.items():
        rows = [row for key in keys for row in tables[key]]
        coin.shuffle(rows)
        kept = [row for row in rows if has(row) == bool(row["label"])]
        found[name] = kept, [row for row in rows if has(row) != bool(row["label"])]
    return found


@investigation("reads", course=COLLECTED)
def check_reads(reads) -> str:
    """What each of the three probes reads, and its accuracy on the rows left out."""
    form = 'Hand in a dictionary such as {"P": ("answer", 0.81), "Q": ..., "R": ...}.'
    expect(isinstance(reads, Mapping) and set(reads) == set(COLLECTED), form)
    pairs = {name: each for name, each in reads.items() if isinstance(each, tuple | list)}
    expect(len(pairs) == 3 and all(len(each) == 2 for each in pairs.values()), form)
    words = {name: word for name, (word, _) in pairs.items()}
    shares = {name: float(share) for name, (_, share) in pairs.items()}
    unknown = [word for word in words.values() if word not in READS]
    expect(
        not unknown,
        f"{unknown[0] if unknown else ''!r} is none of the properties: " + ", ".join(READS) + ".",
    )
    for name, (_, share) in COLLECTED.items():
        if abs(shares[name] - share) <= FOLDS_DIFFER[name]:
            continue
        expect(
            abs(shares[name] - KEPT[name]) > 0.01,
            f"{name}: that is the accuracy on the rows *kept*. Test on those left out.",
        )
        expect(
            abs(shares[name] - SEEN[name]) > 0.015,
            f"{name}: the probe was fitted to twins of the rows left out, statements about the "
            "same pair. Fit it to the kept rows of other folds only.",
        )
        raise Wrong(
            f"{name}: the accuracy on the rows left out is not {shares[name]:.2f}. Fit to rows "
            "kept, of four folds; test on rows left out, of the fifth; mean over all rows left out."
        )
    wrong = [name for name, (right, _) in COLLECTED.items() if words[name] != right]
    expect(
        not wrong,
        f"The accuracies are right. Of the words, {len(COLLECTED) - len(wrong)} of 3 are. A probe "
        "of what it claims is as good on the rows left out. For the others: what have all *true* "
        "statements kept in common?",
    )
    return "Two leaks named, and one probe cleared."


# ---- Going deeper -------------------------------------------------------------------------------


@exercise("utils.reading.probes.fit_mlp")
def check_fit_mlp(fit_mlp) -> str:
    """Exclusive-or in two of three coordinates, far from the origin and of unlike scale."""
    signs = torch.randint(2, (160, 2), generator=seeded(0)) * 2.0 - 1
    x = torch.cat([signs, torch.zeros(160, 1)], 1) + 0.25 * torch.randn(160, 3, generator=seeded(1))
    y = (signs.prod(1) > 0).long()
    x = x * torch.tensor([40.0, 0.5, 3.0]) + torch.tensor([300.0, -5.0, 20.0])
    scores = fit_mlp(x[:120], y[:120], hidden=24, steps=300, generator=seeded(2))
    expect(callable(scores), "Return a function from rows [m, d_model] to scores [m].")
    got = scores(x[120:])
    expect(
        isinstance(got, Tensor) and got.shape == (40,),
        f"The scores of 40 rows should be [40], and not {described(got)}.",
    )
    expect(not got.requires_grad, "Detach the scores: nobody trains through them.")
    expect(
        bool((got < 0).any()),
        "No score is below 0: return the scores themselves, before any sigmoid.",
    )
    right = ((got > 0) == (y[120:] == 1)).float().mean().item()
    expect(right > 0.2, "The probe says the opposite: a score above 0 means label 1.")
    expect(
        right > 0.9,
        f"On an exclusive-or it is right about {right:.0%} of new rows, and a trained two-layer "
        "probe about all. Are inputs standardised? Is there a ReLU between the layers? Does the "
        "loop take a step each time, after `zero_grad` and `backward`, at a learning rate of "
        "0.003? Are there biases, and first weights from `torch.randn`?",
    )
    expect(
        torch.allclose(scores(x[120:121])[0], got[0], atol=1e-4),
        "A row scored alone gets another score than among others: standardise by the *training* "
        "rows' mean and standard deviation.",
    )
    one = fit_mlp(x[:120], y[:120], hidden=1, steps=300, generator=seeded(2))(x[120:])
    expect(
        ((one > 0) == (y[120:] == 1)).float().mean().item() < 0.9,
        "With a single ReLU nobody can tell an exclusive-or, and yours does: use `hidden`.",
    )
    again = [
        fit_mlp(x[:120], y[:120], hidden=24, steps=30, generator=seeded(s))(x[120:])
        for s in (2, 2, 3)
    ]
    expect(
        torch.allclose(again[0], again[1], atol=1e-4),
        "The same generator gives another probe: draw the weights with it, and nothing else.",
    )
    expect(
        not torch.allclose(again[0], again[2], atol=1e-4),
        "Every generator gives the same probe: draw the first weights with `generator`.",
    )
    expect(
        not torch.allclose(again[0], got, atol=1e-3),
        "30 steps and 300 give the same probe: take `steps` steps.",
    )
    few = fit_mlp(x[:120], y[:120], hidden=24, steps=1, generator=seeded(2))(x[120:])
    expect(
        bool(few.abs().max() < 0.5),
        "After one step the scores are large: the weights start small, with standard deviation "
        "0.05, and the learning rate is 0.003.",
    )
    moved, change = [], torch.tensor([2.0, 0.3, 7.0])
    for rows in (x, x * change - 50):
        moved.append(fit_mlp(rows[:120], y[:120], hidden=24, steps=60, generator=seeded(2)))
        moved[-1] = moved[-1](rows[120:])
    expect(
        torch.allclose(moved[0], moved[1], atol=0.02),
        "Where a coordinate of all rows is shifted or stretched, the scores change: standardise, "
        "each coordinate by its own mean and standard deviation over the training rows.",
    )
    for steps, low, high in ((40, 0.40, 0.54), (200, 0.0075, 0.022)):
        trained = fit_mlp(x[:120], y[:120], hidden=64, steps=steps, generator=seeded(4))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            trained(x[:120]), y[:120].float()
        ).item()
        expect(
            loss > low,
            f"After {steps} steps the training loss is {loss:.4f}, lower than it should be. Do "
            "gradients add up from step to step (`zero_grad`)? Is the learning rate 0.003? Are "
            "there two layers, and `hidden` ReLUs?",
        )
        expect(
            loss < high,
            f"After {steps} steps the training loss is {loss:.4f}, higher than it should be. Is "
            "it the binary cross-entropy of the scores? Is there a ReLU between the layers? Are "
            "the first weights from `torch.randn`? Is the learning rate 0.003?",
        )
    middle = scores(x[:120].mean(0, keepdim=True)).item()
    expect(
        abs(middle) > 1e-4,
        "At the mean of the training rows the score is 0, whatever was learnt: both layers need a "
        "bias, which is trained too.",
    )
    return "Two layers, trained."


@exercise("utils.reading.probes.exchange_along")
def check_exchange_along(exchange_along) -> str:
    """Four texts, a position and a partner each, and a direction of length 5; then one text."""
    resid = torch.randn(4, 5, 3, generator=seeded(0))
    direction = torch.tensor([3.0, 0.0, -4.0])
    positions = torch.tensor([3, 0, 2, 1])
    partner = torch.tensor([2, 3, 1, 0])  # not its own inverse
    rows, unit = torch.arange(4), direction / 5
    here = resid[rows, positions]

    def added(change: torch.Tensor) -> torch.Tensor:
        out = resid.clone()
        out[rows, positions] += change
        return out

    def placed(vectors: torch.Tensor) -> torch.Tensor:
        out = resid.clone()
        out[rows, positions] = vectors
        return out

    def along(vectors: torch.Tensor, by: torch.Tensor = unit) -> torch.Tensor:
        return (vectors @ by)[:, None] * by

    difference = here[partner] - here
    everywhere = resid + along(resid[partner].flatten(0, 1) - resid.flatten(0, 1)).view_as(resid)
    given = torch.empty_like(here)
    given[partner] = here
    in_turn = resid.clone()
    for row, at, other in zip(rows, positions, partner, strict=True):
        in_turn[row, at] += (in_turn[other, positions[other]] - in_turn[row, at]) @ unit * unit
    match(
        exchange_along(resid, direction, positions, partner),
        added(along(difference)),
        what="The exchanged stream",
        mistakes={
            "The direction's own length is in it. Divide by the norm first.": added(
                along(difference, direction)
            ),
            "You divided by the norm once; the direction comes in twice, in the product and as "
            "what is added.": added(along(difference, direction) / 5),
            "The complete vector was exchanged: only its component along the direction is.": (
                added(difference)
            ),
            "Everything *but* the component was exchanged.": added(difference - along(difference)),
            "The partner's component was added, and the row's own was left in.": added(
                along(here[partner])
            ),
            "The row's own component was taken away, and the partner's was not put in.": added(
                -along(here)
            ),
            "The component is the partner's now, but the rest of the vector is gone: add the "
            "change instead of assigning it.": placed(along(here[partner])),
            "The vector was replaced by the change: *add* the change to it.": placed(
                along(difference)
            ),
            "The change has the wrong sign.": added(-along(difference)),
            "Every position was changed: only one of each row should be.": everywhere,
            "The partner's vector was taken at the *row's* position: take it at the partner's "
            "own.": added(along(resid[partner, positions] - here)),
            "Row i should *get* the component of row partner[i], and not give it away.": added(
                along(given - here)
            ),
            "Row after row was changed, and later rows got what earlier ones had *become*: read "
            "all partners before you change any.": in_turn,
            "All rows got the first row's change: each has a partner of its own.": added(
                along(difference)[:1].expand(4, 3)
            ),
            "Nothing has changed.": resid,
            "Return the whole stream, [batch, pos, d_model], with the changed vectors in it.": (
                here + along(difference)
            ),
        },
    )
    match(
        exchange_along(resid[:1], direction, positions[:1], torch.tensor([0])),
        resid[:1],
        what="The stream of one text that is its own partner",
        mistakes={},
    )
    return "One component from the partner, and the rest as it was."
