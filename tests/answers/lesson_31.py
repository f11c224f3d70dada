"""Lesson 3.1: the library's version of each exercise, and plausible wrong answers."""

import collections

import numpy as np
import torch

from utils import steering
from utils.writing import contrast, fluency


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


def _add_to_the_first(resid, vector, *, start, past):
    right = contrast.add_from(resid, vector, start=start, past=past)
    return torch.cat([right[:1], resid[1:]])


def _added_alone(resid, vector, *, start, past):
    return contrast.add_from(torch.zeros_like(resid), vector, start=start, past=past)


def _steered_alone(resid, vector, *, start, past):
    return resid[:, max(start - past, 0) :] + vector


def _add_minus(resid, vector, *, start, past):
    return contrast.add_from(resid, -vector, start=start, past=past)


def _add_squeezed(resid, vector, *, start, past):
    right = contrast.add_from(resid, vector, start=start, past=past)
    return right[0] if len(right) == 1 else right


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


def _dose_in_place(direction, dose, *, norm):
    direction *= dose * norm / direction.norm(dim=-1, keepdim=True)
    return direction


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


def _from_a_copy(n, like, generator):
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return _long_as(torch.randn(n, len(like), generator=copy), like)


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


def _softmax_over_positions(model, prompts, written):
    log_probs = model(torch.cat([prompts, written], dim=1)).log_softmax(1)
    return _picked(log_probs[:, prompts.shape[1] - 1 : -1], written)


def _repeats(answer):
    def repetition(tokens, *, n):
        shares = []
        for row in tokens.tolist():
            grams = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
            shares.append(answer(grams, row))
        return torch.tensor(shares)

    return repetition


def _repeats_of(key):
    return _repeats(lambda grams, row: 1 - len({key(gram) for gram in grams}) / len(grams))


def _seen_in_any_row(tokens, *, n):
    seen, shares = set(), []
    for row in tokens.tolist():
        grams = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
        repeats = 0
        for gram in grams:
            repeats += gram in seen
            seen.add(gram)
        shares.append(repeats / len(grams))
    return torch.tensor(shares)


def _apart(tokens, *, n):
    cuts = [
        [tuple(row[i : i + n]) for i in range(0, len(row) - n + 1, n)] for row in tokens.tolist()
    ]
    return torch.tensor([1 - len(set(cut)) / len(cut) for cut in cuts])


def _pooled(tokens, *, n):
    grams = [tuple(row[i : i + n]) for row in tokens.tolist() for i in range(len(row) - n + 1)]
    return torch.tensor(1 - len(set(grams)) / len(grams))


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
        ("changes its input", _mean_in_place, "changes its input `resid`"),
        ("the first row's length", _mean(lambda r, n, m: r[:, 1 : n[0]].mean(1)), "first row's"),
        ("the shortest length", _mean(lambda r, n, m: r[:, 1 : n.min()].mean(1)), "shortest row's"),
        (
            "over all tokens of the batch",
            _mean(lambda r, n, m: _masked_sum(r, m) / m.sum()),
            "in all rows together",
        ),
        (
            "one vector for all",
            _mean(lambda r, n, m: contrast.mean_over_tokens(r, n).mean(0)),
            "one vector for all texts",
        ),
        ("sizes", _mean(lambda r, n, m: contrast.mean_over_tokens(r, n).abs()), "signs are lost"),
        (
            "squeezed",
            _mean(lambda r, n, m: contrast.mean_over_tokens(r, n).squeeze()),
            "axis of the batch is lost",
        ),
        (
            "a list",
            _mean(lambda r, n, m: contrast.mean_over_tokens(r, n).tolist()),
            "should be a tensor",
        ),
    ],
    "add_from": [
        ("no cache", _add(lambda at, past, start: at >= start), "The cache is forgotten"),
        ("after start", _add(lambda at, past, start: at + past > start), "Off by one"),
        ("everywhere", _add(lambda at, past, start: at >= 0), "every position"),
        ("start alone", _add(lambda at, past, start: at + past == start), "`start` alone"),
        ("before start", _add(lambda at, past, start: at + past < start), "before `start`"),
        ("in place", _add_in_place, "changes its input `resid`"),
        ("first text alone", _add_to_the_first, "first text alone"),
        ("what is added", _added_alone, "return the stream with it"),
        ("steered positions", _steered_alone, "keep the others too"),
        ("sign", _add_minus, "The sign"),
        ("squeezed", _add_squeezed, "with a batch of one"),
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
        (
            "at least 0",
            _dose(lambda d, own, dose, norm: d / own * max(dose, 0) * norm),
            "No length is left",
        ),
        (
            "at most 1",
            _dose(lambda d, own, dose, norm: d / own * min(dose, 1) * norm),
            "held at 1",
        ),
        (
            "sizes",
            _dose(lambda d, own, dose, norm: d.abs() / own * dose * norm),
            "signs of the entries",
        ),
        (
            "mean length",
            _dose(lambda d, own, dose, norm: d / own.mean() * dose * norm),
            "mean of their lengths",
        ),
        (
            "the first's length",
            _dose(lambda d, own, dose, norm: d / own.flatten()[0] * dose * norm),
            "length of the first",
        ),
        (
            "norms of columns",
            _dose(lambda d, own, dose, norm: d / d.norm(dim=0) * dose * norm),
            "norms of columns",
        ),
        (
            "sum of sizes",
            _dose(lambda d, own, dose, norm: d / d.abs().sum(-1, keepdim=True) * dose * norm),
            "sum of the entries' sizes",
        ),
        ("squared", _dose(lambda d, own, dose, norm: d / own**2 * dose * norm), "square of"),
        ("in place", _dose_in_place, "changes its input `direction`"),
        (
            "squeezed",
            lambda direction, dose, *, norm: steering.at_dose(direction, dose, norm=norm).squeeze(),
            "a table of one direction",
        ),
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
        ("global seed", _directions(_global_directions), "*global* generator"),
        (
            "another generator",
            _directions(_directions_of_another_generator),
            "same seed gives different",
        ),
        ("seeded again", _directions(_seeded_again), "do not seed it again"),
        (
            "noise on `like`",
            _directions(lambda n, v, g: _long_as(v + 0.2 * torch.randn(n, len(v), generator=g), v)),
            "lean to one side",
        ),
        (
            "signs alone",
            _directions(
                lambda n, v, g: _long_as(torch.randn(n, len(v), generator=g).sign() + 0.0, v)
            ),
            "likelier than others",
        ),
        (
            "one row squeezed",
            _directions(
                lambda n, v, g: _long_as(torch.randn(n, len(v), generator=g), v).squeeze(0)
            ),
            "a table of one row",
        ),
        (
            "float16",
            _directions(lambda n, v, g: _long_as(torch.randn(n, len(v), generator=g), v).half()),
            "torch.float16",
        ),
        ("a copy of the generator", _directions(_from_a_copy), "let the generator go on"),
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
        (
            "sum",
            _losses(lambda p, t, k: _picked(p[:, k - 1 : -1], t[:, k:]).sum(-1)),
            "a sum over tokens",
        ),
        (
            "perplexity",
            _losses(lambda p, t, k: _picked(p[:, k - 1 : -1], t[:, k:]).exp()),
            "perplexities",
        ),
        (
            "bits",
            _losses(lambda p, t, k: _picked(p[:, k - 1 : -1], t[:, k:]) / np.log(2)),
            "bits",
        ),
        (
            "the likeliest tokens",
            _losses(lambda p, t, k: -p[:, k - 1 : -1].amax(-1)),
            "the likeliest tokens",
        ),
        ("softmax over positions", _softmax_over_positions, "over positions"),
        (
            "squeezed",
            _losses(lambda p, t, k: _picked(p[:, k - 1 : -1], t[:, k:]).squeeze(0)),
            "axis of the batch is lost",
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
        ("joined", _repeats_of(lambda gram: "".join(map(str, gram))), "joined to one word"),
        ("added up", _repeats_of(sum), "added up"),
        ("first token", _repeats_of(lambda gram: gram[0]), "Only the first token"),
        ("seen in any row", _seen_in_any_row, "begin anew"),
        ("apart", _apart, "should overlap"),
        ("all rows together", _pooled, "one number for all rows"),
        (
            "rows of seven",
            _repeats(lambda g, row: 1 - len(set(g)) / (7 - len(g[0]) + 1)),
            "not always 7",
        ),
        ("squeezed", lambda tokens, *, n: fluency.repetition(tokens, n=n).squeeze(), "is lost"),
    ],
}


def _mean_by_rows(resid, lengths):
    return torch.stack([row[1:n].mean(0) for row, n in zip(resid, lengths, strict=True)])


def _mean_by_weights(resid, lengths):
    at = torch.arange(resid.shape[1])
    weights = ((at >= 1) & (at < lengths.unsqueeze(1))).double()
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("bp,bpd->bd", weights, resid.double())


def _mean_by_numpy(resid, lengths):
    means = [row[1:n].mean(axis=0) for row, n in zip(resid.numpy(), lengths.tolist(), strict=True)]
    return torch.from_numpy(np.stack(means))


def _mean_by_nan(resid, lengths):
    kept = resid.detach().clone()
    for row, n in enumerate(lengths):
        kept[row, n:] = torch.nan
    return kept[:, 1:].nanmean(1)


def _dose_by_einsum(direction, dose, *, norm):
    length = torch.einsum("...d,...d->...", direction, direction).sqrt()
    return direction * (dose * norm / length)[..., None]


def _directions_by_rows(n, like, *, generator):
    rows = torch.empty(n, len(like))
    for i in range(n):
        row = torch.normal(0.0, 1.0, (len(like),), generator=generator)
        rows[i] = row * (like @ like).sqrt() / (row @ row).sqrt()
    return rows


def _directions_by_dose(n, like, *, generator):
    drawn = torch.empty(n, like.shape[0], dtype=torch.float64).normal_(generator=generator)
    return steering.at_dose(drawn, 1.0, norm=like.norm().item())


def _add_by_slice(resid, vector, *, start, past):
    steered = resid.detach().clone()
    steered[:, max(0, start - past) :] += vector
    return steered


def _add_by_loop(resid, vector, *, start, past):
    columns = [
        resid[:, i] + vector if past + i >= start else resid[:, i] for i in range(resid.shape[1])
    ]
    return torch.stack(columns, dim=1)


def _add_by_where(resid, vector, *, start, past):
    after = torch.arange(past, past + resid.size(1)).ge(start)
    return torch.where(after[None, :, None], resid + vector, resid)


def _losses_by_cross_entropy(model, prompts, written):
    logits = model(torch.cat([prompts, written], dim=1))[:, prompts.shape[1] - 1 : -1]
    loss = torch.nn.functional.cross_entropy
    return loss(logits.flatten(0, 1), written.flatten(), reduction="none").view(written.shape)


def _losses_by_loop(model, prompts, written):
    out = torch.zeros(written.shape)
    for i, row in enumerate(torch.cat([prompts, written], dim=1)):
        log_probs = torch.log_softmax(model(row[None])[0], dim=-1)
        for j in range(written.shape[1]):
            at = prompts.shape[1] + j
            out[i, j] = -log_probs[at - 1, row[at]].item()
    return out


def _losses_by_logsumexp(model, prompts, written):
    whole = torch.cat([prompts, written], dim=-1)
    logits = model(whole)
    rows, at = torch.arange(len(whole))[:, None], torch.arange(whole.shape[1] - 1)
    losses = logits[:, :-1].logsumexp(-1) - logits[rows, at, whole[:, 1:]]
    return losses[:, -written.shape[1] :]


def _repetition_by_seen(tokens, *, n):
    shares = torch.zeros(len(tokens))
    for i, row in enumerate(tokens):
        seen, repeats = [], 0
        for start in range(len(row) - n + 1):
            gram = row[start : start + n].tolist()
            repeats += gram in seen
            seen.append(gram)
        shares[i] = repeats / len(seen)
    return shares


def _repetition_by_unique(tokens, *, n):
    grams = tokens.unfold(1, n, 1)
    return torch.tensor([1 - len(row.unique(dim=0)) / len(row) for row in grams])


def _repetition_by_counter(tokens, *, n):
    found = []
    for row in tokens.numpy():
        counts = collections.Counter(zip(*(row[i:] for i in range(n)), strict=False))
        found.append(sum(c - 1 for c in counts.values()) / sum(counts.values()))
    return torch.from_numpy(np.array(found))


RIGHT = {
    "mean_over_tokens": [
        ("by rows", _mean_by_rows),
        ("weights in double precision", _mean_by_weights),
        ("numpy", _mean_by_numpy),
        ("NaN for padding", _mean_by_nan),
    ],
    "at_dose": [
        ("einsum", _dose_by_einsum),
        (
            "normalize",
            lambda direction, dose, *, norm: (
                torch.nn.functional.normalize(direction.detach().clone(), dim=-1) * norm * dose
            ),
        ),
    ],
    "random_directions": [("by rows", _directions_by_rows), ("by dose", _directions_by_dose)],
    "add_from": [
        ("a slice of a clone", _add_by_slice),
        ("a loop", _add_by_loop),
        ("where", _add_by_where),
    ],
    "token_losses": [
        ("cross entropy", _losses_by_cross_entropy),
        ("a loop", _losses_by_loop),
        ("logsumexp", _losses_by_logsumexp),
    ],
    "repetition": [
        ("a list of what was seen", _repetition_by_seen),
        ("unfold and unique", _repetition_by_unique),
        ("numpy and a counter", _repetition_by_counter),
    ],
}
