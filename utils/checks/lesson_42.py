"""Checks of lesson 4.2, sparse autoencoders."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match, trains


def _drawn(*size: int, seed: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def _relu_loss(x, W_enc, b_enc, W_dec, b_dec) -> torch.Tensor:
    acts = ((x - b_dec) @ W_enc + b_enc).relu()
    return ((acts @ W_dec + b_dec - x).square().sum(1) + 0.3 * acts.sum(1)).mean()


@exercise("relu_sae")
def check_relu_sae(relu_sae) -> str:
    """Three vectors of four numbers, five latents."""
    given = {
        "x": _drawn(3, 4, seed=0),
        "W_enc": _drawn(4, 5, seed=1),
        "b_enc": _drawn(5, seed=2),
        "W_dec": _drawn(5, 4, seed=3),
        "b_dec": _drawn(4, seed=4),
    }
    x, W_enc, b_enc, W_dec, b_dec = given.values()
    pre = (x - b_dec) @ W_enc + b_enc
    acts = pre.relu()
    out = acts @ W_dec + b_dec
    trained = {name: value.clone().requires_grad_(name != "x") for name, value in given.items()}
    returned = relu_sae(**trained, l1=0.3)
    expect(
        isinstance(returned, tuple | list) and len(returned) == 3,
        "Return three things: the activations, the reconstruction and the loss.",
    )
    got, got_out, got_loss = returned
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
            "The squared error was halved: there is no 1/2 here.": each.mean() - squared / 2,
            "The whole loss was multiplied by `l1`: it weighs the activations alone.": 0.3
            * (squared + acts.sum(1).mean()),
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
    expect(
        isinstance(got_loss, torch.Tensor) and got_loss.requires_grad,
        "The numbers are right, but nothing could be trained: return the loss as a tensor, without "
        "`.item()`, `.detach()` or `no_grad`.",
    )
    weights = list(trained.values())[1:]
    slopes = torch.autograd.grad(got_loss, weights, allow_unused=True, retain_graph=True)
    trains(got_loss, *weights)
    right = torch.autograd.grad(_relu_loss(*trained.values()), weights)
    expect(
        all(torch.allclose(a, b, atol=1e-4) for a, b in zip(slopes, right, strict=True)),
        "The numbers are right, but not their gradients: a weight is detached at one of the two "
        "places where it is used, or the error or the penalty is.",
    )
    alone = relu_sae(
        **{name: value[:1] if name == "x" else value for name, value in given.items()}, l1=0
    )
    match(alone[0], acts[:1], what="The activations of one vector", mistakes={})
    match(alone[2], error[0].sum(), what="The loss of one vector with `l1=0`", mistakes={})
    return "A bias, a sum of the active directions, and a price on activity."


@exercise("unexplained")
def check_unexplained(unexplained) -> str:
    """Six vectors of three numbers, far from the origin."""
    x = _drawn(6, 3, seed=0) + torch.tensor([5.0, 0.0, -1.0])
    out = x + 0.4 * _drawn(6, 3, seed=1)
    left = (out - x).square()
    spread = (x - x.mean(0)).square()
    match(
        unexplained(x, out),
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
    bad = x.mean(0) - (x - x.mean(0))  # all vectors mirrored: an error of twice their distance
    match(
        unexplained(x, bad),
        4.0,
        what="What mirrored vectors leave unexplained",
        mistakes={
            "Your function says 1 at most. Whoever does worse than saying the mean leaves more "
            "than all: do not cut it off.": 1.0,
            "Your function says 0 at least, or at most 1, of what is explained: do not cut it "
            "off.": 0.0,
        },
    )
    match(unexplained(x, x), 0.0, what="What a perfect copy leaves unexplained", mistakes={})
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
    got = best_cosine(true, found)
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
    one = cosine[:, 3]
    match(
        best_cosine(true, found[3:4]),
        one,
        what="With one found direction, the opposite of a true one, the best cosine",
        mistakes={
            "A best cosine can lie below 0, where no found direction points the same way: leave "
            "the sign.": one.clamp(min=0),
        },
    )
    match(
        best_cosine(true[1:2], found),
        cosine[1:2].max(1).values,
        what="That of one feature",
        mistakes={},
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

    def of_all(score: torch.Tensor) -> torch.Tensor:
        """The same three latents for all rows."""
        on = torch.zeros(6).scatter(0, score.topk(3).indices, 1.0)
        return pre.relu() * on

    rows, columns = keep(pre, pre, 3, 1), keep(pre, pre, 3, 0)
    kth = pre.topk(3).values[:, -1:]
    chosen = pre.topk(3)
    flat = keep(pre.flatten(), pre.flatten(), 12, 0).view_as(pre)
    match(
        top_k(pre, 3),
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
            "The first vector's latents were chosen for all of them: each has its own k.": of_all(
                pre[0]
            ),
            "One choice was made for the whole batch: each vector has its own k.": of_all(
                pre.mean(0)
            ),
            "The size was taken of negative ones: they become 0.": rows.abs(),
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
        top_k(pre, 2),
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
        got = top_k(batch, 2)
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
    one = keep(pre[:1], pre[:1], 2, 1)[0]
    match(
        got := top_k(trained := pre[0].clone().requires_grad_(), 2),
        one,
        what="Of one vector, [d_sae], the activations",
        mistakes={},
    )
    trains(got, trained)
    return "Each vector has its own k, and never a negative one."


@exercise("jump_relu")
def check_jump_relu(jump_relu) -> str:
    """Three rows of four, with a threshold for each latent; one value is at its threshold."""
    pre = torch.tensor([[0.3, 0.5, 0.3, 0.3], [-1.0, 0.6, 2.0, 0.05], [0.9, -0.4, 0.7, 1.5]])
    threshold = torch.tensor([0.1, 0.5, 1.0, 0.2])
    above = pre > threshold
    zero = torch.zeros(())

    def at_one(value: float) -> torch.Tensor:
        return torch.where(pre > value, pre, zero)

    match(
        jump_relu(pre, threshold),
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
            "One threshold, their mean, was used for all latents: each has its own.": at_one(
                threshold.mean().item()
            ),
            "The first latent's threshold was used for all: each has its own.": at_one(0.1),
            "The highest threshold was used for all latents: each has its own.": at_one(1.0),
        },
    )
    batch = torch.stack([pre, -pre])
    for each, name in ((batch, "With one more axis in front"), (pre[2], "Of one vector, [d_sae],")):
        match(
            got := jump_relu(trained := each.clone().requires_grad_(), threshold),
            torch.where(each > threshold, each, zero),
            what=f"{name} the activations",
            mistakes={},
        )
        trains(got, trained)
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
        output_scale(x, out),
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
    for longer in (1.5, -2.0):
        match(
            output_scale(x, x.mean(0) + longer * centred),
            longer,
            what=f"The scale of a reconstruction that is {longer:g} times what it should be",
            mistakes={
                "Your function says 1 at most: a reconstruction may be too long, too.": 1.0,
                "The sign is lost: a reconstruction that points the other way has a scale below "
                "0.": abs(longer),
                "Your function says 0 at least: a reconstruction that points the other way has a "
                "scale below 0.": 0.0,
            },
        )
    return "1 is the right length, and below it the reconstruction has shrunk."


@exercise("dead_loss")
def check_dead_loss(dead_loss) -> str:
    """Three vectors of five numbers and nine latents, five of them dead, two to be used.

    The first vector wants two other latents than the second, and the batch as a whole two more.
    """
    error, W_dec = _drawn(3, 5, seed=0), _drawn(9, 5, seed=2)
    dead = torch.tensor([False, True, True, False, True, False, True, True, False])
    pre = torch.tensor(
        [
            [1.7, 1.1, 0.9, 0.2, 0.8, 2.0, 0.3, 0.4, 0.6],
            [0.3, 0.1, -0.6, 1.2, 0.9, -0.3, 1.4, 0.7, 2.2],
            [0.5, -1.9, -0.2, 0.4, 0.6, 1.3, -1.8, -0.4, 0.1],
        ]
    )

    def loss(acts: torch.Tensor, target: torch.Tensor = error) -> torch.Tensor:
        return (target - acts @ W_dec).square().sum(1)

    def acts_of(score: torch.Tensor, k: int = 2) -> torch.Tensor:
        chosen = score.topk(k).indices
        return torch.zeros_like(pre).scatter(1, chosen, pre.gather(1, chosen))

    def of_all(score: torch.Tensor) -> torch.Tensor:
        """The loss with the same two dead latents for all vectors."""
        return loss(acts_of(score.masked_fill(~dead, -torch.inf).expand(3, 9)).relu()).mean()

    among = pre.masked_fill(~dead, -torch.inf)
    acts = acts_of(among)
    right = loss(acts.relu()).mean()
    most = torch.where(among >= among.flatten().topk(6).values[-1], pre, 0.0)
    values, at = pre[:, dead].topk(2)  # places among the dead, taken for places among all
    misplaced = torch.zeros_like(pre).scatter(1, at, values.relu())
    match(
        dead_loss(error, pre, dead, W_dec, k=2),
        right,
        what="The loss of the dead",
        mistakes={
            "The *living* latents were used: `dead` is True for those that may take part.": loss(
                acts_of(pre.masked_fill(dead, -torch.inf)).relu()
            ).mean(),
            "Living latents took part: choose the k among the dead alone.": loss(
                acts_of(pre).relu()
            ).mean(),
            "You took the k largest of all latents, and then left out the living: so fewer than k "
            "dead ones take part. Leave the living out *before* you choose.": loss(
                acts_of(pre).relu() * dead
            ).mean(),
            "One choice of k was made for the whole batch, by the first vector: each vector has "
            "its own k.": of_all(pre[0]),
            "One choice of k was made for the whole batch, by the sum over vectors: each vector "
            "has its own k.": of_all(pre.sum(0)),
            "One choice of k was made for the whole batch, by how active latents are in it: each "
            "vector has its own k.": of_all(pre.relu().sum(0)),
            "One choice of k was made for the whole batch, by the highest values in it: each "
            "vector has its own k.": of_all(pre.amax(0)),
            "You chose the k x n largest of the whole batch: each vector has its own k.": loss(
                most.relu()
            ).mean(),
            "The largest in *size* were chosen, which drops smaller positive ones.": loss(
                acts_of(pre.abs().masked_fill(~dead, -torch.inf)).relu()
            ).mean(),
            "You multiplied by 1/32 here. That weight is put on when the losses are added up; give "
            "the plain loss back.": right / 32,
            "All dead latents took part: the k largest of each vector do.": loss(
                pre.relu() * dead
            ).mean(),
            "The dead were chosen, but the directions are others': `topk` on `pre[:, dead]` gives "
            "places among the dead, not among all latents.": loss(misplaced).mean(),
            "Negative values were kept: ReLU.": loss(acts).mean(),
            "The error's sign is turned: the dead should *make* it, so that adding what they say "
            "helps.": loss(acts.relu(), -error).mean(),
            "Summed over vectors: average over them.": 3 * right,
            "Averaged over dimensions: sum over them, as in the loss.": right / 5,
            "There is one value for each vector: average over them.": loss(acts.relu()),
            "Nothing was subtracted: that is how much error there is.": loss(
                torch.zeros_like(pre)
            ).mean(),
        },
    )
    trained = pre.clone().requires_grad_(), W_dec.clone().requires_grad_()
    loss_again = dead_loss(error, trained[0], dead, trained[1], k=2)
    trains(loss_again, *trained)
    for k, n in ((3, 3), (5, 3), (3, 1)):
        match(
            dead_loss(error[:n], pre[:n], dead, W_dec, k=k),
            loss(acts_of(among, k).relu())[:n].mean(),
            what=f"With k = {k} and {n} vector{'s' * (n > 1)}, the loss",
            mistakes={"`k` is not used.": loss(acts.relu())[:n].mean()},
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
        loss_recovered(replaced, clean=clean, ablated=ablated),
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
    for case, each, share in (
        ("worse than the ablation", torch.tensor([12.0, 16.0, 9.0]), (a - 37 / 3) / (a - c)),
        ("better than the clean model", torch.tensor([1.0, 2.0, 0.2]), 1 + 1 / (a - c)),
    ):
        match(
            loss_recovered(each, clean=clean, ablated=ablated),
            share,
            what=f"The loss recovered by a reconstruction that is {case}",
            mistakes={
                "The sign is lost: a reconstruction that is worse than the ablation has a value "
                "below 0.": share.abs(),
                "A share of less than nothing was cut off: whoever is worse than the ablation has "
                "a value below 0.": 0.0,
                "What lies above 1 was cut off: whoever is better than the clean model has more "
                "than 1.": 1.0,
                "That is the distance from 1: whoever is better than the clean model has more "
                "than 1.": 2 - share,
            },
        )
    return "1 is as good as untouched, and 0 no better than the ablation."
