"""Checks of lesson 2.1, linear probes."""

from collections.abc import Callable

import torch

from utils.checks.engine import Wrong, exercise, expect, match


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def goes_on(draw: Callable[[torch.Generator], torch.Tensor]) -> None:
    """A generator that is used again gives something else."""
    generator = seeded(0)
    draws = [draw(generator) for _ in range(8)]
    expect(
        any(not torch.equal(draws[0], other) for other in draws[1:]),
        "Used again, the same generator gives the same again. Draw *from* it, with "
        "`generator=generator`: its seed alone does not say how far it has come.",
    )


class Name:
    """A hashable name whose hash differs from run to run, as that of a string does."""

    def __init__(self, text: str, salt: int):
        self.text, self.salt = text, salt

    def __eq__(self, other) -> bool:
        return isinstance(other, Name) and self.text == other.text

    def __lt__(self, other) -> bool:
        return self.text < other.text

    def __hash__(self) -> int:
        return hash((self.text, self.salt))

    def __repr__(self) -> str:
        return self.text


SALTED = (
    "The same seed gives something else in another run of Python, where names have other hashes. "
    "List each name once in the order in which it comes (`dict.fromkeys`), not by `set` or `hash`."
)


@exercise("utils.activations.last_token")
def check_last_token(last_token) -> str:
    """Texts of 4, 2, 5 and 3 tokens in a batch padded to 6; what is padding holds numbers too.

    Then one text that fills its row.
    """
    resid = torch.randn(4, 6, 3, generator=seeded(0))
    lengths = torch.tensor([4, 2, 5, 3])

    def pick(positions) -> torch.Tensor:
        return torch.stack([resid[row, at] for row, at in enumerate(positions)])

    one = "All rows were read at one position, {}: each row ends at its own length."
    match(
        last_token(resid, lengths),
        pick([3, 1, 4, 2]),
        what="The last tokens",
        mistakes={
            "That is the last column of the batch, which is padding for all but the longest text. "
            "Each row ends at its own length.": resid[:, -1],
            "Off by one: a text of 2 tokens has its last one at position 1.": pick([4, 2, 5, 3]),
            "That is one token too early.": pick([2, 0, 3, 1]),
            "That is the first token of each text, BOS.": resid[:, 0],
            "Each row came with the positions of *all* rows. Index with two tensors of one length: "
            "rows and positions.": resid[:, lengths - 1],
            one.format("where the shortest text ends"): resid[:, 1],
            one.format("where the longest text ends"): resid[:, 4],
            one.format("where the first text ends"): resid[:, 3],
            "The rows were counted from the right, as if the padding stood on the left.": pick(
                [2, 4, 1, 3]
            ),
            "You averaged over the tokens: take the last one.": torch.stack(
                [resid[row, :n].mean(0) for row, n in enumerate(lengths.tolist())]
            ),
            "You averaged over all positions, padding too: take the last token.": resid.mean(1),
        },
    )
    match(
        last_token(resid, lengths, back=1),
        pick([2, 0, 3, 1]),
        what="With back=1, the tokens before the last",
        mistakes={
            "`back` is not used: back=1 is the token before the last.": pick([3, 1, 4, 2]),
            "`back` counts towards the left: you went to the right, into the padding.": pick(
                [4, 2, 5, 3]
            ),
        },
    )
    full = resid[2:3]
    match(
        last_token(full, torch.tensor([6]), back=3),
        full[:, 2],
        what="For one text that fills its row, with back=3, the vector",
        mistakes={
            "With back=3 you went back by one token only.": full[:, 4],
            "`back` is taken as the position, counted from the left.": full[:, 3],
            "A batch of one text is still a batch: [1, d_model].": full[0, 2],
        },
    )
    return "Each text's own last token, whatever stands behind it."


@exercise("utils.reading.probes.split_by_group")
def check_split_by_group(split_by_group) -> str:
    """Ten groups of unlike size, their rows mixed; then four, whose names are numbers."""
    groups = [f"g{i % 10}" for i in range(40)] + ["g0"] * 9 + ["g3"] * 5

    def split(generator: torch.Generator, test: float = 0.3, groups: list = groups):
        got = split_by_group(groups, test=test, generator=generator)
        expect(
            isinstance(got, torch.Tensor) and got.dtype == torch.bool,
            "Return a tensor of True and False, one for each row.",
        )
        expect(
            got.shape == (len(groups),),
            f"There are {len(groups)} rows, and your mask has shape {tuple(got.shape)}: one entry "
            "for each row, not for each group.",
        )
        return got

    def sides(got: torch.Tensor) -> tuple[set, set]:
        rows = list(zip(groups, got.tolist(), strict=True))
        return {g for g, out in rows if out}, {g for g, out in rows if not out}

    draws = [split(seeded(seed)) for seed in range(40)]
    expect(
        all(not inside & outside for inside, outside in map(sides, draws)),
        "Some groups have rows on both sides: that is a split by row. Choose among the names of "
        "the groups, and take all rows of the chosen ones.",
    )
    chosen = [sides(got)[0] for got in draws]
    sizes = {len(inside) for inside in chosen}
    expect(sizes != {0}, "The test set is empty.")
    expect(sizes != {10}, "All groups are in the test set.")
    expect(sizes != {7}, "True is for the *test* set; you marked the training set.")
    expect(
        len(sizes) == 1,
        "How many groups are held out hangs on the draw, and must not: do not toss for each group, "
        "but shuffle them and take the first few.",
    )
    expect(
        sizes == {3},
        f"Of ten groups with test=0.3 three should be held out; you hold out {max(sizes)}. "
        "The share counts groups, and not rows.",
    )
    for share, right in ((0.56, 6), (0.24, 2)):
        expect(
            len(sides(split(seeded(0), share))[0]) == right,
            f"The number of groups to hold out is *rounded*: of ten with test={share} that is "
            f"{right}.",
        )
    expect(
        any(not torch.equal(draws[0], other) for other in draws[1:]),
        "Every generator gives the same split: shuffle the groups before you take some.",
    )
    expect(
        len(set.union(*chosen)) == 10,
        "Some group is never held out, by whatever generator: shuffle *all* names.",
    )
    expect(
        torch.equal(draws[0], split(seeded(0))),
        "The same seed gives another split: let nothing but `generator` decide.",
    )
    goes_on(split)
    few = [3, 8, 3, 5, 1, 8, 8, 1, 5]
    halves = split(seeded(0), 0.5, few).tolist()
    expect(
        len({name for name, out in zip(few, halves, strict=True) if out}) == 2,
        "Of the groups 3, 8, 5 and 1 with test=0.5 two should be held out: there may be any number "
        "of groups, with any names.",
    )
    salted = [
        split_by_group([Name(group, salt) for group in groups], test=0.3, generator=seeded(0))
        for salt in range(6)
    ]
    expect(all(torch.equal(salted[0], other) for other in salted[1:]), SALTED)
    return "Whole groups, and the same ones for the same seed."


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


@exercise("utils.reading.probes.control_labels")
def check_control_labels(control_labels) -> str:
    """Twelve types, three rows each; then types that are pairs, some more often than others."""
    types = [f"t{i % 12}" for i in range(36)]

    def toss(generator: torch.Generator) -> torch.Tensor:
        got = control_labels(types, generator=generator)
        expect(isinstance(got, torch.Tensor), "Return a tensor of 0 and 1.")
        expect(
            got.shape == (36,),
            f"There are 36 rows, and your labels have shape {tuple(got.shape)}: look each row's "
            "type up.",
        )
        expect(
            set(got.tolist()) <= {0, 1},
            "Labels are 0 or 1. `torch.randint(2, ...)` gives them.",
        )
        expect(
            got.dtype != torch.bool and not got.is_floating_point(),
            f"Labels are whole numbers, 0 and 1, and yours are {got.dtype}: `.long()` makes them.",
        )
        return got

    tosses = torch.stack([toss(seeded(seed)) for seed in range(60)])
    by_type = tosses.unflatten(1, (3, 12))
    expect(
        bool((by_type == by_type[:, :1]).all()),
        "Rows of one type have different labels. Toss once for each type, not for each row.",
    )
    coins = by_type[:, 0].float()
    expect(
        bool((coins != coins[:, :1]).any()),
        "All rows have one label: every type tosses its own coin.",
    )
    expect(bool((coins != coins[:1]).any()), "Every generator gives the same labels.")
    expect(
        bool((coins.mean(0) > 0.1).all() and (coins.mean(0) < 0.9).all()),
        "Some types always have the same label: the coin must not depend on the name.",
    )
    expect(
        abs(coins.mean().item() - 0.5) < 0.1,
        f"The coin is not fair: {coins.mean():.0%} of all types got a 1 in 60 draws.",
    )
    together = (coins[:, :, None] == coins[:, None]).float().mean(0)
    together = together[~torch.eye(12, dtype=torch.bool)]
    expect(
        bool((together > 0.1).all() and (together < 0.9).all()),
        "Two types always have equal labels, or always unequal ones: every type tosses its own "
        "coin.",
    )
    expect(
        torch.equal(tosses[0], toss(seeded(0))),
        "The same seed gives other labels: let nothing but `generator` decide.",
    )
    goes_on(toss)
    pairs = [("a", "b"), ("b", "a"), ("a", "b"), ("a", "c"), ("a", "b")]
    got = [control_labels(pairs, generator=seeded(seed)) for seed in range(8)]
    expect(
        all(isinstance(each, torch.Tensor) and each.shape == (5,) for each in got)
        and all(len(set(each[[0, 2, 4]].tolist())) == 1 for each in got)
        and any(each[0] != each[1] for each in got),
        "A type may be anything that can be a key of a dictionary, such as a pair: rows of one "
        "pair have one label, and (a, b) is another type than (b, a).",
    )
    salted = [
        control_labels([Name(each, salt) for each in types], generator=seeded(0))
        for salt in range(6)
    ]
    expect(all(torch.equal(salted[0], other) for other in salted[1:]), SALTED)
    return "One coin for each type, so that there is nothing to read."


RANKS = "Rows of one score get unlike ranks, in the order in which they stand: a tie is a tie."


@exercise("utils.stats.auc")
def check_auc(auc) -> str:
    """Scores worked out pair by pair, with ties, above a half and below; all alike; one of each."""
    labels = torch.tensor([1, 0, 1, 0, 0, 1, 0, 1, 0])
    scores = torch.tensor([3.0, 3.0, 3.0, 3.0, -0.5, 2.0, -1.0, 0.5, -2.0])
    _is_auc(auc(scores, labels), scores, labels, "The AUC")
    scores = torch.tensor([1.5, 1.5, 1.5, 1.5, 4.0, 1.0, 3.0, 0.5, -1.0])
    low = "The AUC of a probe that is wrong more often than right"
    _is_auc(auc(scores, labels), scores, labels, low)
    for order in ([1, 1, 0, 0, 0], [0, 0, 0, 1, 1]):  # ranks that ignore ties give 0 or 1
        match(
            auc(torch.zeros(5), torch.tensor(order)),
            0.5,
            what="The AUC of a probe that gives everything one score",
            mistakes={RANKS: 1.0, RANKS + " ": 0.0},
        )
    for order, right in (([0, 1], 0.0), ([1, 0], 1.0)):
        match(
            auc(torch.tensor([3.0, 1.0]), torch.tensor(order)),
            right,
            what="The AUC of one row of each label",
            mistakes={},
        )
    return "No threshold, and 0.5 for a probe that says nothing."


def _is_auc(got, scores: torch.Tensor, labels: torch.Tensor, what: str) -> None:
    yes, no = scores[labels == 1].tolist(), scores[labels == 0].tolist()

    def share(tie: float, yes: list = yes, no: list = no) -> torch.Tensor:
        won = [1.0 if a > b else tie if a == b else 0.0 for a in yes for b in no]
        return torch.tensor(won).mean()

    right = share(0.5)
    placed = [
        [(score, i) for i, score in enumerate(scores.tolist()) if labels[i] == x] for x in (1, 0)
    ]
    turned_places = [[(score, -i) for score, i in each] for each in placed]
    by_number, by_turned, by_not = (scores[rows].tolist() for rows in (labels, 1 - labels, ~labels))
    rows = "`scores[labels]` with labels 0 and 1 takes rows 0 and 1, again and again. Compare "
    turned = (
        "The classes are swapped: rows of label 1 should score *above*."
        if right > 0.5
        else "An AUC below a half is a result too, of a probe that reads things the wrong way "
        "round: return it as it is, and not the larger of v and 1 - v."
    )
    match(
        got,
        right,
        what=what,
        mistakes={
            "Ties count nothing with you: they count half.": share(0.0),
            "Ties count in full with you: they count half.": share(1.0),
            turned: 1 - right,
            "The classes are swapped, and ties do not count half.": share(0.0, no, yes),
            "That is accuracy with a threshold at 0. AUC has no threshold: compare every row of "
            "label 1 with every row of label 0.": ((scores > 0) == (labels == 1)).float().mean(),
            "That is a count of pairs: divide by how many there are.": right * len(yes) * len(no),
            "That is the difference of the mean scores. Only the order counts.": (
                torch.tensor(yes).mean() - torch.tensor(no).mean()
            ),
            "You divided by all pairs of rows: only pairs of unlike labels count.": (
                right * len(yes) * len(no) / len(scores) ** 2
            ),
            "Each row of label 1 was compared with the *mean* of label 0: compare it with every "
            "row.": share(0.5, no=[sum(no) / len(no)]),
            "Wins minus losses run from -1 to 1: a share of the pairs runs from 0 to 1.": (
                2 * right - 1
            ),
            RANKS: share(0.5, *placed),
            RANKS + " ": share(0.5, *turned_places),
            rows + "first: `scores[labels == 1]`.": share(0.5, by_number, by_turned),
            rows + "first: `labels == 1` and `labels == 0`.": share(0.5, by_number, by_not),
        },
    )


@exercise("utils.reading.unsupervised.ccs_loss")
def check_ccs_loss(ccs_loss) -> str:
    """Probabilities of five pairs, unlike in every way; the gradient; one pair alone."""
    p = torch.tensor([0.9, 0.2, 0.6, 0.5, 0.95])
    q = torch.tensor([0.3, 0.7, 0.8, 0.4, 0.10])
    consistency, smaller = (p - (1 - q)) ** 2, torch.minimum(p, q)
    asked = [p.clone().requires_grad_(), q.clone().requires_grad_()]
    try:
        got = ccs_loss(*asked)
    except Wrong as problem:
        expect(
            "Boolean value" not in str(problem),
            "Python's `min(p_first, p_second)` compares two tensors as wholes, which fails. "
            "`torch.minimum` compares entry by entry.",
        )
        raise
    always = "The {} probability is not always the smaller one: compare the two pair by pair."
    match(
        got,
        (consistency + smaller**2).mean(),
        what="The loss",
        mistakes={
            "Consistency alone: without the second term, a half for everything costs nothing.": (
                consistency.mean()
            ),
            "Confidence alone: without the first term, 0 for everything costs nothing.": (
                (smaller**2).mean()
            ),
            "The two should add up to 1, and not be equal: compare p_first with 1 - p_second.": (
                ((p - q) ** 2 + smaller**2).mean()
            ),
            "The larger one is punished: it is the smaller that should go to 0.": (
                consistency + torch.maximum(p, q) ** 2
            ).mean(),
            "The smaller probability is not squared.": (consistency + smaller).mean(),
            "The consistency is not squared.": ((p - (1 - q)).abs() + smaller**2).mean(),
            "The consistency is not squared, and has a sign.": (p - (1 - q) + smaller**2).mean(),
            "That is a sum over the pairs: take the mean.": (consistency + smaller**2).sum(),
            "One loss for each pair: take the mean.": consistency + smaller**2,
            "The smallest probability of all pairs is in every term: compare pair by pair, with "
            "`torch.minimum`.": (consistency + smaller.min() ** 2).mean(),
            "You took the mean over the pairs first, and squared it: square each pair's.": (
                (p - (1 - q)).mean() ** 2 + smaller.mean() ** 2
            ),
            "The two terms are added, not averaged: that is half the loss.": (
                (consistency + smaller**2).mean() / 2
            ),
            "The two terms are added: you take the confidence away.": (
                (consistency - smaller**2).mean()
            ),
            always.format("first"): (consistency + p**2).mean(),
            always.format("second"): (consistency + q**2).mean(),
        },
    )
    # By hand: the slope of the first term, and of the second where this one is the smaller.
    slopes = [(2 * (p - (1 - q)) + 2 * own * (own < other)) / 5 for own, other in ((p, q), (q, p))]
    found = torch.autograd.grad(got, asked, allow_unused=True)
    expect(
        all(
            slope is not None and torch.allclose(slope, right, atol=1e-5)
            for slope, right in zip(found, slopes, strict=True)
        ),
        "Right value, but a wrong gradient: a part of the loss is detached, or made into plain "
        "numbers, on the way.",
    )
    match(
        ccs_loss(p[:1], q[:1]),
        (consistency + smaller**2)[0],
        what="The loss of a single pair",
        mistakes={},
    )
    return "Consistent and decided; which half is true, it does not say."


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
