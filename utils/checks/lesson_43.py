"""Checks of lesson 4.3, features of a real model."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


@exercise("utils.features.dashboards.top_examples")
def check_top_examples(top_examples) -> str:
    """Four texts of nine tokens; the first holds the two highest, the last nothing."""
    acts = torch.tensor([8.0, 9.0, 0.0, 3.0, 0.0, 7.0, 1.0, 0.0, 0.0])
    text = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 3])
    match(
        top_examples(acts, text, 2),
        torch.tensor([1, 5]),
        what="The two top examples",
        mistakes={
            "Both are from one text, and one that repeats itself would fill the list: take the "
            "best token of each text. (If you keep a set of texts: no two tensors are the same to "
            "it, so put numbers in.)": torch.tensor([1, 0]),
            "The right tokens, the weaker one first: strongest first.": torch.tensor([5, 1]),
            "Those are the weakest: sort from the top.": torch.tensor([2, 4]),
            "Those are the weakest of the active tokens: sort from the top.": torch.tensor([6, 3]),
            "Those are activations: return where they are.": torch.tensor([9.0, 7.0]),
            "Those are numbers of texts: return the positions of the tokens.": torch.tensor([0, 2]),
            "One is missing: cut to n after you have dropped repeats, not before.": torch.tensor(
                [1]
            ),
            "The right tokens, but in the order of the texts and not of their activations: "
            "strongest first, then cut.": torch.tensor([1, 3]),
        },
    )
    match(
        top_examples(acts, text, 6),
        torch.tensor([1, 5, 3]),
        what="The examples, when more are asked for than there are",
        mistakes={
            "A token at which the latent is not active is no example, even when the list is "
            "short.": torch.tensor([1, 5, 3, 7]),
        },
    )
    return "One example a text, strongest first, and only where the latent is active."


@exercise("utils.features.dashboards.logit_effect")
def check_logit_effect(logit_effect) -> str:
    """Three dimensions, a norm weight that matters, and an unembedding with a mean of its own."""
    draw = torch.Generator().manual_seed(0)
    direction, weight = torch.tensor([3.0, 0.0, 4.0]), torch.tensor([2.0, 1.0, -0.5])
    W_U = torch.randn(3, 5, generator=draw) + 1
    unit = direction / 5

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
            "length 1 first.": right * 5,
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
    fit_tokens, tokens = torch.tensor([0, 0, 1, 1, 4, 4]), torch.tensor([0, 1, 4, 3, 0, 6])
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
    return "1 is a latent that looks at the current token and at that alone."


@exercise("utils.features.dashboards.key_gains")
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
        got = key_gains(fires.clone(), key.clone())
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
        },
    )
    return "What each word would be worth as a description, and these gains add up."


@exercise("utils.features.shift.choose_columns")
def check_choose_columns(choose_columns) -> str:
    """Six texts, five columns: two tell the classes apart, one is loud, one never varies."""
    y = torch.tensor([1, 0, 1, 0, 1, 0])
    x = torch.stack(
        [
            torch.tensor([30.0, 0, 0, 90, 60, 40]),  # a large gap, and a larger spread
            torch.tensor([2.0, 2, 2, 2, 2, 2]),  # never varies
            torch.tensor([0.0, 2, 1, 3, 0, 2]),  # falls: the best
            torch.tensor([5.0, 4, 4, 1, 6, 2]),  # rises
            torch.tensor([1.0, 0, 0, 0, 1, 1]),  # differs a little
        ],
        dim=1,
    )
    got = choose_columns(x, y, 2)
    expect(isinstance(got, torch.Tensor), "Return a tensor: the numbers of the columns.")
    expect(tuple(got.shape) != (5,), "Keep the k best columns, and return their numbers.")
    expect(
        not (got.shape == (2,) and got.is_floating_point()),
        "Those are sizes of gaps: return the numbers of the columns.",
    )
    expect(
        got.shape != (2,) or 1 not in got.tolist(),
        "You chose a column that never varies. Its gap and its spread are 0, and 0 / 0 is nan, "
        "which `topk` ranks highest: add a little to the spread, such as a thousandth of the "
        "largest.",
    )
    match(
        got,
        torch.tensor([2, 3]),
        what="The two columns",
        mistakes={
            "The signs are in: a column that falls tells the classes apart as well as one that "
            "rises. Take the gap's size.": torch.tensor([3, 4]),
            "You left the spread out: one loud column wins by its scale alone. Divide by the "
            "standard deviation.": torch.tensor([0, 3]),
            "You divided by the variance: then quiet columns win by their scale. Divide by the "
            "standard deviation.": torch.tensor([2, 4]),
            "The right columns, in the wrong order: you probably added too much to the spread, "
            "so that louder columns gain. A thousandth of the largest spread is enough.": (
                torch.tensor([3, 2])
            ),
        },
    )
    return "Few columns, chosen by what tells the classes apart in training, whatever that is."
