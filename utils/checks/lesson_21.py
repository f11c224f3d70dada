"""Checks of lesson 2.1, linear probes."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


def untouched(call, *args, **kwargs):
    """What `call` returns, once it is sure that it left the global generator alone."""
    before = torch.get_rng_state()
    got = call(*args, **kwargs)
    expect(
        torch.equal(before, torch.get_rng_state()),
        "Your function draws from, or sets, torch's *global* generator, which all other code "
        "shares. Pass `generator` on to the function that draws.",
    )
    return got


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Name:
    """A hashable name whose hash differs from run to run, as that of a string does."""

    def __init__(self, text: str, salt: int):
        self.text, self.salt = text, salt

    def __eq__(self, other) -> bool:
        return isinstance(other, Name) and self.text == other.text

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
    """Texts of 5, 2 and 4 tokens in a batch padded to 6; what is padding holds numbers too."""
    resid = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([5, 2, 4])

    def pick(positions) -> torch.Tensor:
        return torch.stack([resid[row, at] for row, at in enumerate(positions)])

    everything = resid[:, lengths - 1]
    got = last_token(resid.clone(), lengths.clone())
    match(
        got,
        pick([4, 1, 3]),
        what="The last tokens",
        mistakes={
            "That is the last column of the batch, which is padding for all but the longest text. "
            "Each row ends at its own length.": resid[:, -1],
            "Off by one: a text of 2 tokens has its last one at position 1.": pick([5, 2, 4]),
            "That is one token too early.": pick([3, 0, 2]),
            "That is the first token of each text, BOS.": resid[:, 0],
            "Each row came with the positions of *all* rows. Index with two tensors of one length: "
            "rows and positions.": everything,
            "All rows were cut at the shortest text.": resid[:, 1],
            "The rows were counted from the right, as if the padding stood on the left.": pick(
                [1, 4, 2]
            ),
            "You averaged over the tokens: take the last one.": torch.stack(
                [resid[row, :n].mean(0) for row, n in enumerate(lengths.tolist())]
            ),
            "You averaged over all positions, padding too: take the last token.": resid.mean(1),
        },
    )
    match(
        last_token(resid.clone(), lengths.clone(), back=1),
        pick([3, 0, 2]),
        what="With back=1, the tokens before the last",
        mistakes={
            "`back` is not used: back=1 is the token before the last.": pick([4, 1, 3]),
            "`back` counts towards the left: you went to the right, into the padding.": pick(
                [5, 2, 4]
            ),
        },
    )
    return "Each text's own last token, whatever stands behind it."


@exercise("utils.reading.probes.split_by_group")
def check_split_by_group(split_by_group) -> str:
    """Ten groups of unlike size, their rows mixed."""
    groups = [f"g{i % 10}" for i in range(40)] + ["g0"] * 9 + ["g3"] * 5

    def split(seed: int, test: float = 0.3) -> torch.Tensor:
        got = untouched(split_by_group, list(groups), test=test, generator=seeded(seed))
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

    first = split(0)
    inside = {group for group, out in zip(groups, first.tolist(), strict=True) if out}
    outside = {group for group, out in zip(groups, first.tolist(), strict=True) if not out}
    expect(
        not inside & outside,
        "Some groups have rows on both sides: that is a split by row. Choose among the names of "
        "the groups, and take all rows of the chosen ones.",
    )
    expect(bool(inside), "The test set is empty.")
    expect(len(inside) != 10, "All groups are in the test set.")
    expect(len(inside) != 7, "True is for the *test* set; you marked the training set.")
    expect(
        len(inside) == 3,
        f"Of ten groups with test=0.3 three should be held out; you hold out {len(inside)}. "
        "The share counts groups, and not rows.",
    )
    more = {group for group, out in zip(groups, split(0, 0.56).tolist(), strict=True) if out}
    expect(
        len(more) == 6,
        "The number of groups to hold out is *rounded*: of ten with test=0.56 that is six.",
    )
    draws = [split(seed) for seed in range(6)]
    expect(
        any(not torch.equal(first, other) for other in draws[1:]),
        "Every generator gives the same split: shuffle the groups before you take some.",
    )
    expect(
        torch.equal(first, split(0)),
        "The same seed gives another split: let nothing but `generator` decide.",
    )
    salted = [
        split_by_group([Name(group, salt) for group in groups], test=0.3, generator=seeded(0))
        for salt in range(6)
    ]
    expect(all(torch.equal(salted[0], other) for other in salted[1:]), SALTED)
    return "Whole groups, and the same ones for the same seed."


@exercise("utils.reading.probes.mean_difference")
def check_mean_difference(mean_difference) -> str:
    """Two clouds far from the origin, with unlike numbers of rows."""
    random = torch.Generator().manual_seed(1)
    y = torch.tensor([1, 0, 0, 1, 0, 0, 0])
    x = torch.randn(7, 4, generator=random) + 3 + 2 * y[:, None] * torch.tensor([1.0, 0, -1, 0.5])
    yes, no = x[y == 1].mean(0), x[y == 0].mean(0)
    got = mean_difference(x.clone(), y.clone())
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        "Return two things: the direction, [d_model], and the bias, a single number.",
    )
    direction, bias = got
    gap = yes - no
    match(
        direction,
        gap,
        what="The direction",
        mistakes={
            "The direction points from true to false: turn it round.": -gap,
            "The direction has length 1. Leave it as the plain difference: bias and scores are in "
            "its units.": gap / gap.norm(),
            "That is the mean of the true rows alone: take the other mean away.": yes,
            "Those are sums: take the mean of each class.": x[y == 1].sum(0) - x[y == 0].sum(0),
            "That is a direction over rows: average over the rows (axis 0), and keep d_model.": (
                x[y == 1].mean() - x[y == 0].mean()
            ),
            "You divided each class by the number of *all* rows.": (
                x[y == 1].sum(0) - x[y == 0].sum(0)
            )
            / len(y),
        },
    )
    middle = (yes + no) @ gap / 2
    match(
        bias,
        -middle,
        what="The bias",
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
    return "From the one mean to the other, and zero halfway."


@exercise("utils.reading.probes.control_labels")
def check_control_labels(control_labels) -> str:
    """Twelve types, three rows each, in mixed order."""
    types = [f"t{i % 12}" for i in range(36)]

    def toss(seed: int) -> torch.Tensor:
        got = untouched(control_labels, list(types), generator=seeded(seed))
        expect(isinstance(got, torch.Tensor), "Return a tensor of 0 and 1.")
        expect(
            got.shape == (36,),
            f"There are 36 rows, and your labels have shape {tuple(got.shape)}: look each row's "
            "type up.",
        )
        return got

    tosses = [toss(seed) for seed in range(8)]
    for got in tosses:
        expect(
            set(got.tolist()) <= {0, 1},
            "Labels are 0 or 1. `torch.randint(2, ...)` gives them.",
        )
        agree = torch.equal(got[:12], got[12:24]) and torch.equal(got[:12], got[24:])
        expect(
            agree,
            "Rows of one type have different labels. Toss once for each type, not for each row.",
        )
    expect(
        any(0 < got.sum() < 36 for got in tosses),
        "All rows have one label: every type tosses its own coin.",
    )
    expect(
        any(not torch.equal(tosses[0], got) for got in tosses[1:]),
        "Every generator gives the same labels.",
    )
    by_type = torch.stack(tosses)[:, :12].float().mean(0)
    expect(
        bool((by_type > 0).any() and (by_type < 1).any()) and float(by_type.std()) < 0.45,
        "Some types always have the same label: the coin must not depend on the name.",
    )
    expect(
        torch.equal(tosses[0], toss(0)),
        "The same seed gives other labels: let nothing but `generator` decide.",
    )
    salted = [
        control_labels([Name(each, salt) for each in types], generator=seeded(0))
        for salt in range(6)
    ]
    expect(all(torch.equal(salted[0], other) for other in salted[1:]), SALTED)
    return "One coin for each type, so that there is nothing to read."


@exercise("utils.stats.auc")
def check_auc(auc) -> str:
    """Five scores worked out pair by pair, with ties; then scores that are all alike."""
    scores = torch.tensor([2.0, -1.0, 0.5, 0.5, 3.0, -2.0, 0.5])
    labels = torch.tensor([1, 0, 1, 0, 0, 0, 1])
    yes, no = scores[labels == 1].tolist(), scores[labels == 0].tolist()

    def share(tie: float) -> torch.Tensor:
        won = [1.0 if a > b else tie if a == b else 0.0 for a in yes for b in no]
        return torch.tensor(won).mean()

    right = share(0.5)
    match(
        auc(scores.clone(), labels.clone()),
        right,
        what="The AUC",
        mistakes={
            "Ties count nothing with you: they count half.": share(0.0),
            "Ties count in full with you: they count half.": share(1.0),
            "The classes are swapped: rows of label 1 should score *above*.": 1 - right,
            "That is accuracy with a threshold at 0. AUC has no threshold: compare every row of "
            "label 1 with every row of label 0.": ((scores > 0) == (labels == 1)).float().mean(),
            "That is a count of pairs: divide by how many there are.": right * len(yes) * len(no),
            "That is the difference of the mean scores. Only the order counts.": (
                torch.tensor(yes).mean() - torch.tensor(no).mean()
            ),
            "You divided by all pairs of rows: only pairs of unlike labels count.": (
                right * len(yes) * len(no) / len(scores) ** 2
            ),
        },
    )
    ranks = "Rows of one score get unlike ranks, in the order in which they stand: a tie is a tie."
    for order in ([1, 1, 0, 0, 0], [0, 0, 0, 1, 1]):  # ranks that ignore ties give 0 or 1
        match(
            auc(torch.zeros(5), torch.tensor(order)),
            torch.tensor(0.5),
            what="The AUC of a probe that gives everything one score",
            mistakes={ranks: torch.tensor(1.0), ranks + " ": torch.tensor(0.0)},
        )
    return "No threshold, and 0.5 for a probe that says nothing."


@exercise("utils.reading.unsupervised.ccs_loss")
def check_ccs_loss(ccs_loss) -> str:
    """Probabilities of five pairs, unlike in every way."""
    p = torch.tensor([0.9, 0.2, 0.6, 0.5, 0.95])
    q = torch.tensor([0.3, 0.7, 0.8, 0.5, 0.10])
    consistency, smaller = (p - (1 - q)) ** 2, torch.minimum(p, q)
    right = (consistency + smaller**2).mean()
    try:
        got = ccs_loss(p.clone(), q.clone())
    except Wrong as problem:
        expect(
            "Boolean value" not in str(problem),
            "Python's `min(p_first, p_second)` compares two tensors as wholes, which fails. "
            "`torch.minimum` compares entry by entry.",
        )
        raise
    match(
        got,
        right,
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
            "That is a sum over the pairs: take the mean.": (consistency + smaller**2).sum(),
            "One loss for each pair: take the mean.": consistency + smaller**2,
            "The smallest probability of all pairs is in every term: compare pair by pair, with "
            "`torch.minimum`.": (consistency + smaller.min() ** 2).mean(),
        },
    )
    weight = torch.tensor([0.3], requires_grad=True)
    loss = ccs_loss(torch.sigmoid(weight * p), torch.sigmoid(-weight * q))
    expect(
        isinstance(loss, torch.Tensor) and loss.requires_grad,
        "Right value, but no gradient flows through it: return a tensor, without `.item()`.",
    )
    return "Consistent and decided; which half is true, it does not say."


@exercise("utils.reading.probes.exchange_along")
def check_exchange_along(exchange_along) -> str:
    """Four texts, a position and a partner each, and a direction of length 5."""
    resid = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    kept = resid.clone()
    direction = torch.tensor([3.0, 0.0, 4.0])
    positions, partner = (
        torch.tensor([3, 0, 2, 1]),
        torch.tensor([2, 3, 1, 0]),
    )  # not its own inverse
    rows, unit = torch.arange(4), direction / 5
    here = kept[rows, positions]

    def added(change: torch.Tensor) -> torch.Tensor:
        out = kept.clone()
        out[rows, positions] += change
        return out

    def placed(vectors: torch.Tensor) -> torch.Tensor:
        out = kept.clone()
        out[rows, positions] = vectors
        return out

    def along(vectors: torch.Tensor, by: torch.Tensor = unit) -> torch.Tensor:
        return (vectors @ by)[:, None] * by

    difference = here[partner] - here
    everywhere = kept + along(kept[partner].flatten(0, 1) - kept.flatten(0, 1)).view_as(kept)
    same_place = kept[partner, positions] - here
    given = torch.empty_like(here)
    given[partner] = here
    match(
        exchange_along(resid, direction.clone(), positions.clone(), partner.clone()),
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
            "own.": added(along(same_place)),
            "Row i should *get* the component of row partner[i], and not give it away.": added(
                along(given - here)
            ),
            "Nothing has changed.": kept,
        },
    )
    expect(
        torch.equal(resid, kept),
        "Right values, but `resid` itself was changed. Work on `resid.clone()`.",
    )
    return "One component from the partner, and the rest as it was."
