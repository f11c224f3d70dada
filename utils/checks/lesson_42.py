"""Checks of lesson 4.2, sparse autoencoders."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


def _drawn(*size: int, seed: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@exercise("relu_sae")
def check_relu_sae(relu_sae) -> str:
    """Three vectors of two numbers, five latents."""
    given = {
        "x": _drawn(3, 2, seed=0),
        "W_enc": _drawn(2, 5, seed=1),
        "b_enc": _drawn(5, seed=2),
        "W_dec": _drawn(5, 2, seed=3),
        "b_dec": _drawn(2, seed=4),
    }
    x, W_enc, b_enc, W_dec, b_dec = given.values()
    pre = (x - b_dec) @ W_enc + b_enc
    acts = pre.relu()
    out = acts @ W_dec + b_dec
    handed = {name: value.clone() for name, value in given.items()}
    returned = relu_sae(**handed, l1=0.3)
    expect(
        isinstance(returned, tuple | list) and len(returned) == 3,
        "Return three things: the activations, the reconstruction and the loss.",
    )
    got, got_out, got_loss = returned
    changed = [name for name, value in given.items() if not torch.equal(value, handed[name])]
    expect(
        not changed,
        f"Your function changed {', '.join(changed)} in place: `x - b`, not `x -= b`.",
    )
    match(
        got,
        acts,
        what="The activations",
        mistakes={
            "`b_dec` was not taken away from `x` before encoding.": (x @ W_enc + b_enc).relu(),
            "`b_dec` was added to `x` before encoding: it is taken away there.": (
                (x + b_dec) @ W_enc + b_enc
            ).relu(),
            "There are negative activations: the ReLU is missing.": pre,
            "`b_enc` is missing.": ((x - b_dec) @ W_enc).relu(),
            "`b_enc` was added behind the ReLU.": ((x - b_dec) @ W_enc).relu() + b_enc,
            "You encoded with the decoder's transpose. The encoder has weights of its own.": (
                (x - b_dec) @ W_dec.T + b_enc
            ).relu(),
            "You returned the reconstruction first: the activations come first.": out,
        },
    )
    match(
        got_out,
        out,
        what="The reconstruction",
        mistakes={
            "The activations are right. `b_dec`, taken away before, was not added back.": acts
            @ W_dec,
            "The activations are right. The reconstruction was made of the values *before* the "
            "ReLU.": pre @ W_dec + b_dec,
            "The activations are right. The reconstruction went through a ReLU too: vectors have "
            "negative entries.": out.relu(),
            "The activations are right. You decoded with the encoder's transpose.": acts @ W_enc.T
            + b_dec,
            "You brought the directions to length 1. Training does; use `W_dec` as it is.": acts
            @ (W_dec / W_dec.norm(dim=1, keepdim=True))
            + b_dec,
        },
    )
    error, each = (out - x).square(), (out - x).square().sum(1) + 0.3 * acts.sum(1)
    squared = error.sum(1).mean()
    match(
        got_loss,
        each.mean(),
        what="The loss",
        mistakes={
            "The squared error was averaged over dimensions too: *sum* over them, and average over "
            "vectors.": error.mean() + 0.3 * acts.sum(1).mean(),
            "The activations were averaged over latents too: *sum* over them, and average over "
            "vectors.": squared + 0.3 * acts.mean(),
            "Error and activity were both averaged over their last axis: sum over it.": error.mean()
            + 0.3 * acts.mean(),
            "Both were summed over vectors: average over them, or the loss grows with the batch.": (
                each.sum()
            ),
            "The activations were squared: that is an L2 penalty, which makes nothing zero.": (
                squared + 0.3 * acts.square().sum(1).mean()
            ),
            "You counted the active latents. That is L0, which has no slope to go down.": (
                squared + 0.3 * (acts > 0).float().sum(1).mean()
            ),
            "The penalty was taken *before* the ReLU: very negative values would earn.": squared
            + 0.3 * pre.sum(1).mean(),
            "The penalty was taken on sizes *before* the ReLU: silence would cost too.": squared
            + 0.3 * pre.abs().sum(1).mean(),
            "`l1` is not used.": squared + acts.sum(1).mean(),
            "The activations were weighted by the lengths of their directions. Some do "
            "that and leave lengths free; here the price is on the plain sum.": squared
            + 0.3 * (acts * W_dec.norm(dim=1)).sum(1).mean(),
            "The penalty is missing.": squared,
            "The error was not squared.": (out - x).abs().sum(1).mean() + 0.3 * acts.sum(1).mean(),
            "You took the length of the error: take its square.": error.sum(1).sqrt().mean()
            + 0.3 * acts.sum(1).mean(),
            "There is one loss for each vector: average over them.": each,
        },
    )
    weights = {name: value.clone().requires_grad_(name != "x") for name, value in given.items()}
    loss = relu_sae(**weights, l1=0.3)[2]
    expect(
        isinstance(loss, torch.Tensor) and loss.requires_grad,
        "The numbers are right, but nothing could be trained: return the loss as a tensor, without "
        "`.item()`, `.detach()` or `no_grad`.",
    )
    slopes = torch.autograd.grad(loss, list(weights.values())[1:], allow_unused=True)
    expect(
        all(slope is not None and bool(slope.any()) for slope in slopes),
        "The numbers are right, but gradients do not reach all four weights: is there a "
        "`.detach()` or a `no_grad` on the way?",
    )
    return "A bias, a sum of the active directions, and a price on activity."


@exercise("unexplained")
def check_unexplained(unexplained) -> str:
    """Six vectors of three numbers, far from the origin."""
    x = _drawn(6, 3, seed=0) + torch.tensor([5.0, 0.0, -1.0])
    out = x + 0.4 * _drawn(6, 3, seed=1)
    left = (out - x).square()
    spread = (x - x.mean(0)).square()
    match(
        unexplained(x.clone(), out.clone()),
        left.sum() / spread.sum(),
        what="The share unexplained",
        mistakes={
            "That is the share that *is* explained.": 1 - left.sum() / spread.sum(),
            "You divided by the squared length of `x`. Variance is around the mean: take it away, "
            "or saying the mean for everything looks like an explanation.": left.sum()
            / x.square().sum(),
            "The mean was taken over all numbers at once: each dimension has its own.": (
                left.sum() / (x - x.mean()).square().sum()
            ),
            "The mean was taken over each vector's dimensions: average over the vectors, axis 0.": (
                left.sum() / (x - x.mean(1, keepdim=True)).square().sum()
            ),
            "You averaged the ratios of the dimensions: divide one sum by one sum.": (
                left.sum(0) / spread.sum(0)
            ).mean(),
            "You averaged the ratios of the vectors: divide one sum by one sum.": (
                left.sum(1) / spread.sum(1)
            ).mean(),
            "The errors' own mean was taken away: an error that is always the same is an error "
            "too.": (out - x).var(0, correction=0).sum() / x.var(0, correction=0).sum(),
            "`var` divides by n - 1, and the error is divided by n: sum squares instead.": left.sum(
                1
            ).mean()
            / x.var(0).sum(),
            "That is a ratio of lengths: square them.": (left.sum() / spread.sum()).sqrt(),
            "You summed the vectors' lengths: sum their *squares*.": left.sum(1).sqrt().sum()
            / spread.sum(1).sqrt().sum(),
            "You divided by the spread of the reconstructions: it is the vectors' variance that is "
            "to be explained.": left.sum() / (out - out.mean(0)).square().sum(),
            "The distance is from the reconstructions' mean: take that of `x`.": left.sum()
            / (x - out.mean(0)).square().sum(),
            "You took sizes: square the errors and the distances.": left.sqrt().sum()
            / spread.sqrt().sum(),
        },
    )
    return "0 for a perfect copy, and 1 for always saying the mean."


@exercise("utils.features.planted.best_cosine")
def check_best_cosine(best_cosine) -> str:
    """Three true directions and five found ones, of all lengths, in four dimensions."""
    true = _drawn(3, 4, seed=0) * torch.tensor([[1.0], [3.0], [0.2]])
    found = _drawn(5, 4, seed=1) * torch.tensor([[2.0], [0.5], [1.0], [9.0], [0.1]])
    found[3] = -2 * true[0]  # the opposite of a direction is not that direction
    unit_true = true / true.norm(dim=1, keepdim=True)
    unit_found = found / found.norm(dim=1, keepdim=True)
    cosine = unit_true @ unit_found.T
    by_column = (true / true.norm(dim=0)) @ (found / found.norm(dim=0)).T
    got = best_cosine(true.clone(), found.clone())
    expect(
        not isinstance(got, tuple),
        "`max` along an axis gives two things, the values and their places: return the values.",
    )
    match(
        got,
        cosine.max(1).values,
        what="The best cosines",
        mistakes={
            "That is one value for each *found* direction: it says whether latents are right, not "
            "whether features were found. Take the maximum over the found ones.": cosine.max(
                0
            ).values,
            "The dot products were not divided by the lengths.": (true @ found.T).max(1).values,
            "The true directions were not brought to length 1.": (true @ unit_found.T)
            .max(1)
            .values,
            "The found directions were not brought to length 1.": (unit_true @ found.T)
            .max(1)
            .values,
            "The sign was dropped: a direction and its opposite are two features.": cosine.abs()
            .max(1)
            .values,
            "You divided by the lengths of the *columns*. A direction is a row: norm over the last "
            "axis.": by_column.max(1).values,
            "You averaged over the found directions: take the best.": cosine.mean(1),
            "Those are positions: return the cosines.": cosine.argmax(1),
            "That is the mean: keep one value for each true direction.": cosine.max(
                1
            ).values.mean(),
        },
    )
    return "For every feature, the latent that comes nearest."


@exercise("top_k")
def check_top_k(top_k) -> str:
    """Four rows of six, one of which has fewer than three values above zero."""
    pre = torch.tensor(
        [
            [0.9, 0.1, 0.5, 0.7, -2.0, 0.3],
            [0.2, 1.4, 1.1, -0.3, 0.6, 0.8],
            [-0.5, -0.1, 2.0, -1.5, -0.2, -0.7],
            [3.0, 0.05, 0.4, 1.0, 1.2, -0.6],
        ]
    )

    def keep(values: torch.Tensor, score: torch.Tensor, k: int, dim: int) -> torch.Tensor:
        chosen = score.topk(k, dim=dim).indices
        return torch.zeros_like(values).scatter(dim, chosen, values.gather(dim, chosen))

    rows, columns = keep(pre, pre, 3, 1), keep(pre, pre, 3, 0)
    kth = pre.topk(3).values[:, -1:]
    chosen = pre.topk(3)
    flat = keep(pre.flatten(), pre.flatten(), 12, 0).view_as(pre)
    match(
        top_k(pre.clone(), 3),
        rows.relu(),
        what="The activations",
        mistakes={
            "A kept value is negative. Where fewer than k lie above 0, fewer stay: ReLU.": rows,
            "You chose along the batch: the k largest *vectors* of each latent. Choose among the "
            "latents of each vector, the last axis.": columns.relu(),
            "You chose along the batch, the first axis, and kept negative values.": columns,
            "You chose the k x n largest of the whole batch (BatchTopK). Here each vector gets its "
            "own k.": flat.relu(),
            "The largest in *size* were chosen, which drops smaller positive ones.": keep(
                pre, pre.abs(), 3, 1
            ).relu(),
            "The largest in size were chosen, and negative ones kept.": keep(pre, pre.abs(), 3, 1),
            "That is a 1 for each active latent: keep the values.": (rows > 0).float(),
            "Those are the k values side by side. Put each where it was.": pre.topk(
                3
            ).values.relu(),
            "Those are the *smallest* k.": -keep(-pre, -pre, 3, 1).relu(),
            "All positive values are kept: that is a ReLU.": pre.relu(),
            "One too few is kept: the k-th largest itself stays. (Do not compare with it, `>` or "
            "`>=`: where values are equal, that goes wrong too.)": pre.relu() * (pre > kth),
            "The others are not 0: you scattered into `pre` itself. Begin with zeros.": (
                pre.scatter(1, chosen.indices, chosen.values.relu())
            ),
            "The others are not 0: you scattered into `pre` itself, and kept a negative value. "
            "Begin with zeros.": pre,
        },
    )
    match(
        top_k(pre.clone(), 2),
        keep(pre, pre, 2, 1).relu(),
        what="With k = 2 in place of 3, the activations",
        mistakes={"With k = 2 your function still keeps three: use `k`.": rows.relu()},
    )
    tied = top_k(torch.tensor([[0.4, 0.1, 0.4, 0.4]]), 2)
    expect(
        int((tied > 0).sum()) == 2,
        "Where values are equal, more than k stayed: choose k *places*; do not compare with "
        "the k-th value.",
    )
    batch = _drawn(2, 3, 7, seed=0)
    try:
        got = top_k(batch.clone(), 2)
    except Wrong as problem:
        raise Wrong(
            "One more axis in front, [text, token, latent], is too much for your function: let "
            f"`topk` and `scatter` work along `dim=-1`, without a loop. {problem}"
        ) from None
    match(
        got,
        keep(batch, batch, 2, 2).relu(),
        what="With one more axis in front, the activations",
        mistakes={
            "Your function works on [n, latent] alone: use the *last* axis (`dim=-1`), whatever "
            "stands in front.": keep(batch, batch, 2, 1).relu()
        },
    )
    return "Each vector has its own k, and never a negative one."


@exercise("jump_relu")
def check_jump_relu(jump_relu) -> str:
    """Three rows of four, with a threshold for each latent; one value is at its threshold."""
    pre = torch.tensor([[0.3, 0.5, 0.3, 0.3], [-1.0, 0.6, 2.0, 0.05], [0.9, -0.4, 0.7, 1.5]])
    threshold = torch.tensor([0.1, 0.5, 1.0, 0.2])
    above = pre > threshold
    zero = torch.zeros(())
    match(
        jump_relu(pre.clone(), threshold.clone()),
        torch.where(above, pre, zero),
        what="The activations",
        mistakes={
            "The threshold was taken away from what passes, as in a ReLU with a lower bias. What "
            "passes keeps its whole value: that is the jump.": (pre - threshold).relu(),
            "That is a 1 for each active latent: multiply by the value.": above.float(),
            "The thresholds are not used.": pre.relu(),
            "A value *at* its threshold was kept: it has to lie above.": torch.where(
                pre >= threshold, pre, zero
            ),
            "The size was compared: negative values stay out.": torch.where(
                pre.abs() > threshold, pre, zero
            ),
            "Values below the threshold were raised to it: they become 0.": pre.maximum(threshold),
            "What lies *below* the threshold was kept.": torch.where(above, zero, pre),
            "One threshold was used for all latents: each has its own.": torch.where(
                pre > threshold.mean(), pre, zero
            ),
        },
    )
    return "All or nothing: the value as it is, or 0."


@exercise("utils.features.planted.output_scale")
def check_output_scale(output_scale) -> str:
    """A reconstruction that is a shrunk copy, plus random errors and one that is always there."""
    x = _drawn(50, 3, seed=0) + torch.tensor([4.0, -2.0, 1.0])
    centred = x - x.mean(0)
    out = x.mean(0) + 0.6 * centred + 0.3 * _drawn(50, 3, seed=1) + torch.tensor([0.5, 0.2, -0.1])
    moved = out - x.mean(0)
    own = out - out.mean(0)
    dot = (moved * centred).sum()

    def both(x_less, out_less) -> torch.Tensor:
        return out_less.square().sum() / (out_less * x_less).sum()

    match(
        output_scale(x.clone(), out.clone()),
        moved.square().sum() / dot,
        what="The scale",
        mistakes={
            "It is upside down: the reconstruction's square goes on top.": dot
            / moved.square().sum(),
            "The mean was not taken away: the offset hides the shrinking.": out.square().sum()
            / (out * x).sum(),
            "Take the mean of `x` away from both: you used the reconstruction's own for it.": (
                both(centred, own)
            ),
            "The mean was taken over all numbers at once: each dimension has its own.": both(
                x - x.mean(), out - x.mean()
            ),
            "The mean was taken over all numbers at once, and for each of the two by itself. Use "
            "the mean vector of `x` for both.": both(x - x.mean(), out - out.mean()),
            "The mean was taken over each vector's dimensions: average over the vectors, axis 0.": (
                both(x - x.mean(1, keepdim=True), out - x.mean(1, keepdim=True))
            ),
            "The mean was taken over each vector's dimensions, and for each of the two by itself. "
            "Use the mean vector of `x`, axis 0, for both.": both(
                x - x.mean(1, keepdim=True), out - out.mean(1, keepdim=True)
            ),
            "The mean was taken away from `x` alone: take it away from the reconstruction too.": (
                both(centred, out)
            ),
            "The mean was taken away from the reconstruction alone: take it away from `x` too.": (
                both(x, moved)
            ),
            "That is the dot product over the square of `x`: how much of `x` is kept, which is "
            "below 1 for any reconstruction with an error.": dot / centred.square().sum(),
            "That is the ratio of lengths, which is below 1 for any good reconstruction with an "
            "error, shrunk or not.": moved.norm() / centred.norm(),
            "That is the ratio of lengths, each from its own mean. It is below 1 for any good "
            "reconstruction with an error, shrunk or not.": own.norm() / centred.norm(),
            "You averaged a ratio for each vector: divide sums.": (
                moved.square().sum(1) / (moved * centred).sum(1)
            ).mean(),
        },
    )
    return "1 is the right length, and below it the reconstruction has shrunk."


@exercise("dead_loss")
def check_dead_loss(dead_loss) -> str:
    """Three vectors of eight numbers and nine latents, five of them dead, four to be used."""
    error, pre, W_dec = _drawn(3, 8, seed=0), _drawn(3, 9, seed=1), _drawn(9, 8, seed=2)
    pre[0] = pre[0].abs() + 0.1  # so that all five dead ones would be active
    dead = torch.tensor([False, True, True, False, True, False, True, True, False])

    def answer(among, *, target=error, k=4, relu=True) -> torch.Tensor:
        chosen = pre.masked_fill(~among, -float("inf")).topk(k).indices
        values = pre.gather(1, chosen)
        values = values.relu() if relu else values
        acts = torch.zeros_like(pre).scatter(1, chosen, values)
        return (target - acts @ W_dec).square().sum(1)

    values, at = pre[:, dead].topk(4)  # places among the dead, taken for places among all
    misplaced = torch.zeros_like(pre).scatter(1, at, values.relu())
    first = pre.topk(4)  # among all, and only then the dead
    late = torch.zeros_like(pre).scatter(1, first.indices, first.values.relu()) * dead
    every = torch.ones_like(dead)
    match(
        dead_loss(error.clone(), pre.clone(), dead.clone(), W_dec.clone(), k=4),
        answer(dead).mean(),
        what="The loss of the dead",
        mistakes={
            "The *living* latents were used: `dead` is True for those that may take part.": answer(
                ~dead
            ).mean(),
            "Living latents took part: choose the k among the dead alone.": answer(every).mean(),
            "You took the k largest of all latents, and then left out the living: so fewer than k "
            "dead ones take part. Leave the living out *before* you choose.": (error - late @ W_dec)
            .square()
            .sum(1)
            .mean(),
            "You multiplied by 1/32 here. That weight is put on when the losses are added up; give "
            "the plain loss back.": answer(dead).mean() / 32,
            "All dead latents took part: the k largest of each vector do.": answer(
                dead, k=5
            ).mean(),
            "The dead were chosen, but the directions are others': `topk` on `pre[:, dead]` gives "
            "places among the dead, not among all latents.": (error - misplaced @ W_dec)
            .square()
            .sum(1)
            .mean(),
            "Negative values were kept: ReLU.": answer(dead, relu=False).mean(),
            "The error's sign is turned: the dead should *make* it, so that adding what they say "
            "helps.": answer(dead, target=-error).mean(),
            "Summed over vectors: average over them.": answer(dead).sum(),
            "Averaged over dimensions: sum over them, as in the loss.": answer(dead).mean() / 8,
            "There is one value for each vector: average over them.": answer(dead),
            "Nothing was subtracted: that is how much error there is.": error.square()
            .sum(1)
            .mean(),
        },
    )
    pre, W_dec = pre.clone().requires_grad_(), W_dec.clone().requires_grad_()
    loss = dead_loss(error.clone(), pre, dead.clone(), W_dec, k=4)
    slopes = [None, None]
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        slopes = torch.autograd.grad(loss, [pre, W_dec], allow_unused=True)
    expect(
        all(slope is not None and bool(slope.any()) for slope in slopes),
        "The number is right, but the dead could not learn from it: return a tensor that "
        "gradients go through, without `.item()`, `.detach()` or `no_grad`.",
    )
    return "The dead learn what the living have left over."


@exercise("utils.features.sae.loss_recovered")
def check_loss_recovered(loss_recovered) -> str:
    """Losses of three texts, unevenly spread; one is easier with the reconstruction than clean."""
    clean = torch.tensor([2.0, 3.0, 1.2])
    replaced = torch.tensor([2.3, 5.5, 1.0])
    ablated = torch.tensor([8.0, 13.0, 7.0])
    a, r, c = (each.mean() for each in (ablated, replaced, clean))
    match(
        loss_recovered(replaced.clone(), clean=clean.clone(), ablated=ablated.clone()),
        (a - r) / (a - c),
        what="The loss recovered",
        mistakes={
            "That is the share which is *lost*.": (r - c) / (a - c),
            "You divided by the ablated loss. The clean loss is the best there is: divide by what "
            "the ablation *costs*.": (a - r) / a,
            "It is upside down.": (a - c) / (a - r),
            "That is a ratio of losses: where 0 lies must be set by the ablation.": c / r,
            "You averaged a ratio for each text: short or easy texts can throw that far off. "
            "Average the losses first.": ((ablated - replaced) / (ablated - clean)).mean(),
            "There is one value for each text: average the losses first.": (ablated - replaced)
            / (ablated - clean),
            "The sign is turned.": (r - a) / (a - c),
            "You took the median of the texts: take their mean.": (
                ablated.median() - replaced.median()
            )
            / (ablated.median() - clean.median()),
            "You took sizes of differences: where a text is easier with the reconstruction than "
            "without, that counts for it.": 1 - (replaced - clean).abs().mean() / (a - c),
        },
    )
    return "1 is as good as untouched, and 0 no better than the ablation."
