"""Lesson 3.1: the library's version of each exercise, and plausible wrong answers."""

import torch

from utils.writing import contrast


def _mean(answer):
    def mean_over_tokens(resid, lengths):
        at = torch.arange(resid.shape[1])
        return answer(resid, lengths, (at > 0) & (at < lengths[:, None]))

    return mean_over_tokens


def _masked_sum(resid, mask):
    return (resid * mask[..., None]).sum(1)


def _mean_in_place(resid, lengths):
    right = contrast.mean_over_tokens(resid, lengths)
    resid[:, 0] = 0
    return right


def _add(where):
    """Adds the vector where `where(position here, past, start)` says so."""

    def add_from(resid, vector, *, start, past):
        mask = where(torch.arange(resid.shape[1]), past, start)
        return resid + mask[:, None].float() * vector

    return add_from


def _add_in_place(resid, vector, *, start, past):
    resid[:, max(start - past, 0) :] += vector
    return resid


def _add_negative_index(resid, vector, *, start, past):
    resid = resid.clone()
    resid[:, start - past :] += vector
    return resid


def _add_prompt_only(resid, vector, *, start, past):
    return resid if past else contrast.add_from(resid, vector, start=start, past=past)


def _assign(resid, vector, *, start, past):
    resid = resid.clone()
    resid[:, max(start - past, 0) :] = vector
    return resid


def _dose(answer):
    def at_dose(direction, dose, *, norm):
        return answer(direction, direction.norm(dim=-1, keepdim=True), dose, norm)

    return at_dose


def _directions(draw):
    def random_directions(n, like, *, generator):
        return draw(n, like, generator)

    return random_directions


def _long_as(drawn, like):
    return drawn / drawn.norm(dim=-1, keepdim=True) * like.norm()


def _global_directions(n, like, generator):
    torch.manual_seed(generator.initial_seed())
    return _long_as(torch.randn(n, len(like)), like)


def _directions_of_another_generator(n, like, generator):
    generator = torch.Generator()
    generator.seed()
    return _long_as(torch.randn(n, len(like), generator=generator), like)


def _seeded_again(n, like, generator):
    return _long_as(torch.randn(n, len(like), generator=generator.manual_seed(0)), like)


def _at_right_angles(n, like, generator):
    drawn = torch.randn(n, len(like), generator=generator)
    return _long_as(drawn - (drawn @ like)[:, None] * like / like.norm() ** 2, like)


def _seed_for_each_row(n, like, generator):
    seeds = [generator.initial_seed() + i for i in range(n)]
    rows = [torch.randn(1, len(like), generator=generator.manual_seed(seed)) for seed in seeds]
    return _long_as(torch.cat(rows), like)


def _losses(answer):
    def token_losses(model, prompts, written):
        whole = torch.cat([prompts, written], dim=1)
        return answer(model(whole).log_softmax(-1), whole, prompts.shape[1])

    return token_losses


def _picked(log_probs, targets):
    return -log_probs.gather(-1, targets[..., None])[..., 0]


def _without_prompt(model, prompts, written):
    return _picked(model(written).log_softmax(-1)[:, :-1], written[:, 1:])


def _of_logits(model, prompts, written):
    logits = model(torch.cat([prompts, written], dim=1))
    return _picked(logits[:, prompts.shape[1] - 1 : -1], written)


def _repeats(answer):
    def repetition(tokens, *, n):
        shares = []
        for row in tokens.tolist():
            grams = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
            shares.append(answer(grams, row))
        return torch.tensor(shares)

    return repetition


MISTAKES = {
    "mean_over_tokens": [
        ("all positions", _mean(lambda r, n, m: r.mean(1)), "BOS and padding"),
        ("padding", _mean(lambda r, n, m: r[:, 1:].mean(1)), "Padding is in the mean"),
        (
            "BOS",
            _mean(lambda r, n, m: torch.stack([x[:k].mean(0) for x, k in zip(r, n, strict=True)])),
            "BOS is in the mean",
        ),
        (
            "divided by the length with BOS",
            _mean(lambda r, n, m: _masked_sum(r, m) / n[:, None]),
            "wrong number",
        ),
        (
            "masked, then mean",
            _mean(lambda r, n, m: (r * m[..., None]).mean(1)),
            "number of columns",
        ),
        (
            "to the length",
            _mean(
                lambda r, n, m: torch.stack(
                    [x[1 : k + 1].mean(0) for x, k in zip(r, n, strict=True)]
                )
            ),
            "A token of padding",
        ),
        (
            "stops short",
            _mean(
                lambda r, n, m: torch.stack(
                    [x[1 : k - 1].mean(0) for x, k in zip(r, n, strict=True)]
                )
            ),
            "The last token of each text is missing",
        ),
        ("sum", _mean(lambda r, n, m: _masked_sum(r, m)), "That is a sum"),
        ("last token", _mean(lambda r, n, m: r[torch.arange(len(r)), n - 1]), "last token alone"),
        ("over the batch", _mean(lambda r, n, m: r.mean(0)), "over the batch"),
        ("changes its input", _mean_in_place, "work on a copy"),
    ],
    "add_from": [
        ("no cache", _add(lambda at, past, start: at >= start), "The cache is forgotten"),
        ("after start", _add(lambda at, past, start: at + past > start), "Off by one"),
        ("everywhere", _add(lambda at, past, start: at >= 0), "every position"),
        ("start alone", _add(lambda at, past, start: at + past == start), "`start` alone"),
        ("before start", _add(lambda at, past, start: at + past < start), "before `start`"),
        ("in place", _add_in_place, "changes `resid` itself"),
        ("replaces", _assign, "in place of the stream"),
        ("negative index", _add_negative_index, "counts from the end"),
        ("prompt only", _add_prompt_only, "Nothing is added"),
    ],
    "at_dose": [
        ("not normalised", _dose(lambda d, own, dose, norm: d * dose * norm), "own length is"),
        ("no norm", _dose(lambda d, own, dose, norm: d / own * dose), "Its length is `dose`"),
        ("no dose", _dose(lambda d, own, dose, norm: d / own * norm), "the dose is missing"),
        ("unit", _dose(lambda d, own, dose, norm: d / own), "unit vector"),
        ("times own", _dose(lambda d, own, dose, norm: d * dose), "own length: put"),
        (
            "one norm for all",
            _dose(lambda d, own, dose, norm: d / d.norm() * dose * norm),
            "share one length",
        ),
        ("divided", _dose(lambda d, own, dose, norm: d / own * dose / norm), "you divided by it"),
        ("no sign", _dose(lambda d, own, dose, norm: d / own * abs(dose) * norm), "sign of the"),
    ],
    "random_directions": [
        ("lengths vary", _directions(lambda n, v, g: torch.randn(n, len(v), generator=g)), "first"),
        (
            "unit",
            _directions(lambda n, v, g: _long_as(torch.randn(n, len(v), generator=g), v) / 2.5),
            "unit vectors",
        ),
        (
            "one length for all",
            _directions(
                lambda n, v, g: (x := torch.randn(n, len(v), generator=g)) / x.norm() * v.norm()
            ),
            "All rows together",
        ),
        (
            "positive",
            _directions(lambda n, v, g: _long_as(torch.rand(n, len(v), generator=g), v)),
            "lean to one side",
        ),
        (
            "one row repeated",
            _directions(
                lambda n, v, g: _long_as(torch.randn(1, len(v), generator=g), v).repeat(n, 1)
            ),
            "the same direction",
        ),
        (
            "shuffled entries",
            _directions(
                lambda n, v, g: torch.stack(
                    [v[torch.randperm(len(v), generator=g)] for _ in range(n)]
                )
            ),
            "do not reorder",
        ),
        (
            "cube",
            _directions(lambda n, v, g: _long_as(torch.rand(n, len(v), generator=g) - 0.5, v)),
            "corners of a cube",
        ),
        ("at right angles", _directions(_at_right_angles), "right angles to `like`"),
        ("a seed for each row", _directions(_seed_for_each_row), "share some of their directions"),
        ("global seed", _directions(_global_directions), "global random numbers"),
        (
            "another generator",
            _directions(_directions_of_another_generator),
            "same seed gives different",
        ),
        ("seeded again", _directions(_seeded_again), "do not seed it again"),
    ],
    "token_losses": [
        ("off by one", _losses(lambda p, t, k: _picked(p[:, k:], t[:, k:])), "Off by one"),
        ("prompt too", _losses(lambda p, t, k: _picked(p[:, :-1], t[:, 1:])), "prompt is scored"),
        (
            "first missing",
            _losses(lambda p, t, k: _picked(p[:, k:-1], t[:, k + 1 :])),
            "first written token",
        ),
        ("no prompt", _without_prompt, "has not read the prompt"),
        (
            "no prompt, off by one",
            lambda model, prompts, written: _picked(model(written).log_softmax(-1), written),
            "and you scored tokens",
        ),
        ("sign", _losses(lambda p, t, k: -_picked(p[:, k - 1 : -1], t[:, k:])), "The sign"),
        (
            "probabilities",
            _losses(lambda p, t, k: (-_picked(p[:, k - 1 : -1], t[:, k:])).exp()),
            "probabilities",
        ),
        ("logits", _of_logits, "Those are logits"),
        (
            "mean",
            _losses(lambda p, t, k: _picked(p[:, k - 1 : -1], t[:, k:]).mean(-1)),
            "one loss for each",
        ),
    ],
    "repetition": [
        ("distinct", _repeats(lambda g, row: len(set(g)) / len(g)), "different"),
        (
            "over tokens",
            _repeats(lambda g, row: (len(g) - len(set(g))) / len(row)),
            "number of tokens",
        ),
        ("kinds over tokens", _repeats(lambda g, row: 1 - len(set(g)) / len(row)), "kinds by the"),
        (
            "order lost",
            _repeats(lambda g, row: 1 - len({tuple(sorted(x)) for x in g}) / len(g)),
            "order of the tokens",
        ),
        ("count", _repeats(lambda g, row: float(len(g) - len(set(g)))), "That is a count"),
        (
            "first counted",
            _repeats(lambda g, row: sum(g.count(x) > 1 for x in g) / len(g)),
            "had not occurred before",
        ),
        (
            "neighbours",
            _repeats(lambda g, row: sum(a == b for a, b in zip(g, g[1:], strict=False)) / len(g)),
            "just before",
        ),
        ("no n", _repeats(lambda g, row: 1 - len(set(row)) / len(row)), "You ignored `n`"),
        (
            "kinds",
            _repeats(lambda g, row: sum(g.count(x) > 1 for x in set(g)) / len(set(g))),
            "*kinds*",
        ),
    ],
}
