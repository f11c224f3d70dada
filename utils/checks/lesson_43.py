"""Checks of lesson 4.3, features of a real model."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


@exercise("utils.features.dashboards.top_examples")
def check_top_examples(top_examples) -> str:
    """Five texts of eleven tokens; the third holds the two highest, the fourth nothing."""
    acts = torch.tensor([6.0, 0.0, 0.0, 2.0, 5.0, 8.0, 9.0, 0.0, 0.0, 7.0, 1.0])
    text = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4])
    got = top_examples(acts, text, 2)
    match(
        got,
        torch.tensor([6, 9]),
        what="The two top examples",
        mistakes={
            "Both are from one text, and one that repeats itself would fill the list: take the "
            "best token of each text. (If you keep a set of texts: no two tensors are the same to "
            "it, so put numbers in.)": torch.tensor([6, 5]),
            "The right tokens, the weaker one first: strongest first.": torch.tensor([9, 6]),
            "Those are the weakest: sort from the top.": torch.tensor([1, 2]),
            "Those are the weakest of the active tokens: sort from the top.": torch.tensor([10, 3]),
            "Those are activations: return where they are.": torch.tensor([9.0, 7.0]),
            "Those are numbers of texts: return the positions of the tokens.": torch.tensor([2, 4]),
            "One is missing: cut to n after you have dropped repeats, not before.": torch.tensor(
                [6]
            ),
            "The best tokens of the first texts: strongest first, then cut.": torch.tensor([0, 4]),
            "Those are the first active tokens of their texts: take the strongest.": torch.tensor(
                [5, 9]
            ),
        },
    )
    expect(not got.is_floating_point(), "Positions are whole numbers: return a tensor of ints.")
    match(
        top_examples(acts, text, 6),
        torch.tensor([6, 9, 0, 4]),
        what="The examples, when more are asked for than there are",
        mistakes={
            "A token at which the latent is not active is no example, even when the list is "
            "short.": torch.tensor([6, 9, 0, 4, 7]),
            "The right tokens, but in the order of the texts and not of their activations: "
            "strongest first. (A set has no order of its own.)": torch.tensor([0, 4, 6, 9]),
        },
    )
    match(top_examples(acts, text, 1), torch.tensor([6]), what="The one top example", mistakes={})
    match(
        top_examples(torch.zeros(3), torch.tensor([0, 0, 1]), 2),
        torch.zeros(0),
        what="The examples of a latent that is active nowhere",
        mistakes={},
    )
    return "One example a text, strongest first, and only where the latent is active."


@exercise("utils.features.dashboards.logit_effect")
def check_logit_effect(logit_effect) -> str:
    """Three dimensions, a norm weight that matters, and an unembedding with a mean of its own."""
    draw = torch.Generator().manual_seed(0)
    direction, weight = torch.tensor([4.0, -2.0, 4.0]), torch.tensor([2.0, 1.0, -0.5])
    W_U = torch.randn(3, 5, generator=draw) + 1
    unit = direction / 6

    def centred(values: torch.Tensor) -> torch.Tensor:
        return values - values.mean()

    right = centred((unit * weight) @ W_U)
    match(
        logit_effect(direction, weight, W_U),
        right,
        what="The effects on the logits",
        mistakes={
            "The final norm's weight is missing: it scales each coordinate before the "
            "unembedding.": centred(unit @ W_U),
            "The direction's own length is still in: latents could not be compared. Make it "
            "length 1 first.": right * 6,
            "Length 1 means that the squares sum to 1, not that the sizes do.": right * 0.6,
            "The sizes of the effects were taken: what is pushed down has a value below 0.": (
                right.abs()
            ),
            "You divided by the spread over the vocabulary: only the mean is taken away.": right
            / right.std(),
            "Each row of `W_U` lost its own mean: take the mean effect over tokens away at the "
            "end, or the mean over each row's tokens, not over its coordinates.": (unit * weight)
            @ (W_U - W_U.mean(0)),
            "Length 1 means that the squares sum to 1, not that their mean is 1.": right * 3**0.5,
            "What all tokens gain alike changes no probability: take away the mean over the "
            "vocabulary.": (unit * weight) @ W_U,
            "You made the length 1 after the norm's weight: scale the direction first, then "
            "multiply.": centred((direction * weight) / (direction * weight).norm() @ W_U),
            "You divided by the norm's weight: the model multiplies by it.": centred(
                (unit / weight) @ W_U
            ),
            "Those are probabilities: leave the softmax out.": right.softmax(-1),
            "The sign is turned round.": -right,
        },
    )
    return "What this direction pushes up on the direct way, and what it pushes down."


@exercise("utils.features.dashboards.token_share")
def check_token_share(token_share) -> str:
    """Latent 0 is a token detector, 1 depends on it in half, 2 not at all; ids 3 and 6 are new."""
    fit_tokens, tokens = torch.tensor([0, 0, 0, 1, 4, 4]), torch.tensor([0, 1, 4, 3, 0, 6])
    fit_acts = torch.tensor([[4.0, 2, 1], [4, 4, 0], [0, 0, 1], [0, 2, 0], [1, 1, 0], [1, 0, 2]])
    acts = torch.tensor([[4.0, 2, 0], [0, 1, 3], [1, 0, 0], [1.5, 1, 1], [4, 5, 0], [2, 1, 2]])
    means = {i: fit_acts[fit_tokens == i].mean(0) for i in (0, 1, 4)}

    def share(fallback: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        guess = torch.stack([means.get(i, fallback) for i in tokens.tolist()])
        return 1 - (acts - guess).square().sum(0) / (acts - centre).square().sum(0)

    overall = fit_acts.mean(0)
    own = acts.clone()
    own[[0, 4]] = acts[[0, 4]].mean(0)
    right = share(overall, acts.mean(0))
    got = token_share(fit_acts, fit_tokens, acts, tokens)
    expect(
        not (isinstance(got, torch.Tensor) and got.isnan().any()),
        "There is a nan: a token that the first texts do not have has no mean there (the mean of "
        "an empty set). Guess the mean over all tokens for it.",
    )
    match(
        got,
        right,
        what="The shares",
        mistakes={
            "A token that the first texts do not have gets 0: guess the mean over all tokens "
            "there.": share(torch.zeros(3), acts.mean(0)),
            "A token that the first texts do not have gets one number for all latents: each latent "
            "has a mean of its own.": share(fit_acts.mean().expand(3), acts.mean(0)),
            "For a new token you guess the mean of the tokens' means, where each id counts alike: "
            "take that of all tokens.": share(torch.stack([*means.values()]).mean(0), acts.mean(0)),
            "A share below 0 was cut off: a guess can be worse than the mean.": right.clamp(min=0),
            "The sign is lost: a guess can be worse than the mean, and the share below 0.": (
                right.abs()
            ),
            "For a new token you guess the mean of the texts you test on: take that of the first "
            "texts.": share(acts.mean(0), acts.mean(0)),
            "The means come from the texts you test on: every rare token then predicts itself. "
            "Learn them on the first texts.": 1
            - (acts - own).square().sum(0) / (acts - acts.mean(0)).square().sum(0),
            "That is the share that is left: take it from 1.": 1 - right,
            "The variance to explain is that around the mean of *these* texts, not around the "
            "first texts' mean.": share(overall, overall),
            "The variance to explain is that around the mean, not around 0.": share(
                overall, torch.zeros(3)
            ),
            "One number for all latents: sum over tokens only.": 1
            - ((acts - acts.mean(0)).square().sum(0) * (1 - right)).sum()
            / (acts - acts.mean(0)).square().sum(),
        },
    )
    one = token_share(fit_acts[:, :1], fit_tokens, acts[:, :1], tokens)
    match(one, right[:1], what="The share of one latent", mistakes={})
    return "1 is a latent that looks at the current token and at that alone."


@exercise("utils.features.dashboards.key_gains", course_only=True)
def check_key_gains(key_gains) -> str:
    """Ten tokens, three of them active; one of these and one other have no key."""
    fires = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 0], dtype=torch.bool)
    key = torch.tensor([2, 2, -1, 0, 0, 1, -1, 0, 3, 3])  # the highest id stands at silent ones
    on, off = (
        torch.bincount(key[part & (key >= 0)], minlength=4).double() for part in (fires, ~fires)
    )
    right = (on / 3 - off / 7) / 2
    as_last = torch.tensor([0.0, 0, 0, 1])
    wrapped = ((on + as_last) / 3 - (off + as_last) / 7) / 2
    try:
        got = key_gains(fires, key)
    except Wrong as wrong:
        if "negative" in str(wrong) or "non-neg" in str(wrong):
            raise Wrong(
                "A key of -1 means that there is no token: leave those out before you count, in "
                "both counts."
            ) from wrong
        if "size of tensor" in str(wrong):
            raise Wrong(
                "The two counts have different lengths: the highest id may stand at tokens of one "
                "sort alone. Give both the same `minlength`."
            ) from wrong
        raise
    match(
        got,
        right,
        what="The gains",
        mistakes={
            "A key of -1 was counted as the last id: leave those places out.": wrapped,
            "You divided by the tokens with a key. The shares are of *all* active tokens, and of "
            "all others, with a key or without.": (on / 2 - off / 6) / 2,
            "Twice too large: balanced accuracy is the *mean* of two shares.": 2 * right,
            "The false alarms are missing: a word that stands everywhere is no description.": (
                on / 6
            ),
            "The second share is that of *all* tokens with the key. Take it over those where the "
            "latent is not active.": (on / 3 - (on + off) / 10) / 2,
            "You divided by how often each key comes: a word that comes once would be a perfect "
            "description. The shares are of the active tokens, and of the others.": (
                torch.nan_to_num((on - off) / (on + off)) / 2
            ),
            "Both counts are divided by one number. Divide the active ones by how many are "
            "active, the others by how many are not.": (on - off) / 20,
            "That is how often the latent is active at each key: a word that comes once would be "
            "a perfect description.": torch.nan_to_num(on / (on + off)),
            "The sign is turned round.": -right,
            "Those are counts: turn them into shares.": on - off,
            "A gain below 0 was cut off: such a word makes the description worse.": right.clamp(
                min=0
            ),
            "The sizes of the gains were taken: a word below 0 makes the description worse.": (
                right.abs()
            ),
        },
    )
    match(
        key_gains(~fires, key),
        -right,
        what="Where active and silent tokens are exchanged, the gains",
        mistakes={},
    )
    few = key_gains(torch.tensor([False, True, False]), torch.tensor([0, 2, 0]))
    match(few, [-0.5, 0, 0.5], what="Where every token has a key, the gains", mistakes={})
    return "What each word would be worth as a description, and these gains add up."


@exercise("utils.features.shift.choose_columns")
def check_choose_columns(choose_columns) -> str:
    """Eight texts, three of class 1; of eleven columns two tell the classes apart best.

    Each of the others wins by one mistake.
    """
    y = torch.tensor([0, 1, 0, 0, 1, 0, 1, 0])
    of_class_1_and_0 = [
        ([22.0, 5, 25], [0.0, 15, 2, 3, 8]),  # 0: a large gap, and a larger spread
        ([0.0, 1, 0], [4.0, 3, 4, 3, 4]),  # 1: falls, the best
        ([0.0, 0, 0], [0.0, 0, 0, 0, 0]),  # 2: never varies
        ([9.0, 0, 9], [1.0, 1, 1, 1, 1.2]),  # 3: hardly varies in class 0
        ([0.3, 0.0, 0.3], [0.0, 0.0, 0.2, 0.0, 0.05]),  # 4: quiet
        ([2.0, 2.4, 2.6], [1.6, 0.8, 1.2, 1.2, 0.7]),  # 5: rises, the second
        ([70.0, 72, 71], [71.0, 70, 72, 71.5, 70]),  # 6: far from 0 in both classes
        ([8.0, 1.2, 0.9], [0.0, 1.6, 0.4, 0.8, 1]),  # 7: the first two rows differ
        ([24.0, 2, 23], [0.0, 15, 10, 3, 0]),  # 8: as 0
        ([3.0, 3, 3.1], [0.0, 5, 0, 5, 0]),  # 9: hardly varies in class 1
        ([1.0, 1, 0], [1.0, 2, 1, 2, 0]),  # 10: falls a little
    ]
    x = torch.zeros(8, 11)
    for i, (one, zero) in enumerate(of_class_1_and_0):
        x[y == 1, i], x[y == 0, i] = torch.tensor(one), torch.tensor(zero)
    got = choose_columns(x, y, 2)
    expect(isinstance(got, torch.Tensor), "Return a tensor: the numbers of the columns.")
    expect(tuple(got.shape) != (11,), "Keep the k best columns, and return their numbers.")
    expect(
        not (got.shape == (2,) and got.is_floating_point()),
        "Those are sizes of gaps: return the numbers of the columns.",
    )
    if got.shape == (2,):
        got = got.sort().values  # in any order
    match(
        got,
        torch.tensor([1, 5]),
        what="The two columns, in order,",
        mistakes={
            "You chose a column that never varies. Its gap and its spread are 0, and 0 / 0 is nan, "
            "which `topk` ranks highest: add a little to the spread, such as a thousandth of the "
            "largest.": torch.tensor([1, 2]),
            "The signs are in: a column that falls tells the classes apart as well as one that "
            "rises. Take the gap's size.": torch.tensor([3, 5]),
            "The signs are in: a column that rises tells the classes apart as well as one that "
            "falls. Take the gap's size.": torch.tensor([1, 10]),
            "You left the spread out: one loud column wins by its scale alone. Divide by the "
            "standard deviation.": torch.tensor([0, 8]),
            "You divided by the variance: then quiet columns win by their scale. Divide by the "
            "standard deviation.": torch.tensor([4, 5]),
            "You added too much to the spread, so that louder columns gain. A thousandth of the "
            "largest spread is enough.": torch.tensor([0, 1]),
            "You divided by class 0's spread alone: take that of the whole column.": torch.tensor(
                [1, 3]
            ),
            "You divided by class 1's spread alone: take that of the whole column.": torch.tensor(
                [1, 9]
            ),
            "You compared sums: the classes have unequal numbers of rows, so compare means.": (
                torch.tensor([1, 6])
            ),
            "`x[y]` with numbers takes the rows number 0 and 1, over and over: the rows of a class "
            "are `x[y == 1]`.": torch.tensor([7, 8]),
            "`x[y]` with numbers takes the rows number 0 and 1, over and over, and `x[~y]` the "
            "last two: the rows of a class are `x[y == 1]`.": torch.tensor([7, 10]),
        },
    )
    match(
        sorted(choose_columns(x, y, 10).tolist()),
        [0, 1, 3, 4, 5, 6, 7, 8, 9, 10],
        what="All columns but one, which never varies,",
        mistakes={},
    )
    match(choose_columns(x, y, 1), torch.tensor([1]), what="The one best column", mistakes={})
    return "Few columns, chosen by what tells the classes apart in training, whatever that is."
