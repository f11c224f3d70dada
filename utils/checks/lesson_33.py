"""Checks of lesson 3.3, shared geometry."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


@exercise("utils.writing.geometry.shared_tokens")
def check_shared_tokens(shared_tokens) -> str:
    """Two small vocabularies in which no token has the same id.

    They share seven, so that a set's order is hardly ever the right one by luck.
    """
    vocab_a = {"x": 7, "Ġcat": 4, "cat": 0, "Ġdog": 2, "!": 5, "owl": 9}
    vocab_a |= {"Ġsun": 11, "Ġa": 3, "ing": 8}
    vocab_b = {"!": 3, "Ġdog": 8, "Ġcat": 1, "Ġfox": 4, "cat": 6, "Dog": 2, "Owl": 7}
    vocab_b |= {"ing": 12, "Ġsun": 9, "Ġa": 10}
    both = {"!", "Ġdog", "Ġcat", "cat", "Ġsun", "Ġa", "ing"}
    got = shared_tokens(vocab_a, vocab_b)
    expect(
        isinstance(got, (tuple, list)) and len(got) == 3,
        "Return three things: the tokens, their ids in A, and their ids in B.",
    )
    tokens, ids_a, ids_b = got
    tokens = list(tokens)
    expect(
        all(isinstance(token, str) for token in tokens),
        "The first of the three is a list of strings, as they stand in the vocabularies.",
    )
    same_id = {token for token, i in vocab_a.items() if i in vocab_b.values()}
    if set(tokens) == same_id:
        raise Wrong("Match the tokens by their strings: the same id may mean another token.")
    expect(
        not {"dog", "owl", "Owl", "Dog"} & set(tokens),
        "Keep the strings as they are. `Ġcat` (with a space before it) and `cat` are two tokens, "
        "and so are `dog` and `Dog`.",
    )
    expect(
        not {"Ġfox", "x"} & set(tokens),
        "Some tokens stand in one vocabulary alone. A shared token is in both.",
    )
    expect(
        set(tokens) == both and len(tokens) == len(both),
        "The shared tokens are not the right ones. Strings count as the same only if they are "
        "equal, capitals and spaces included, and each comes once.",
    )
    expect(
        not isinstance(ids_a, dict) and not isinstance(ids_b, dict),
        "The ids come as two lists (or tensors), in the order of the tokens.",
    )
    got_a, got_b = (torch.as_tensor(ids).tolist() for ids in (ids_a, ids_b))
    if got_a == [vocab_b[t] for t in tokens] and got_b == [vocab_a[t] for t in tokens]:
        raise Wrong("The ids of A and of B are exchanged.")
    if got_a == got_b:
        raise Wrong("Both lists hold ids of one vocabulary. Each model has ids of its own.")
    expect(
        got_a == [vocab_a[t] for t in tokens] and got_b == [vocab_b[t] for t in tokens],
        "Token i, id i of A and id i of B must be one token. Here they are in different orders.",
    )
    expect(
        got_a == sorted(got_a),
        "Order the tokens by their id in A: the order of a set changes from run to run.",
    )
    return "Matched by string, each with its two ids."


def _pearson(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]


def _ranks(x: torch.Tensor) -> torch.Tensor:
    return x.argsort().argsort().double()


@exercise("utils.writing.geometry.cosine_pearson", course_only=True)
def check_cosine_pearson(cosine_pearson) -> str:
    """Random matrices with a large mean, worked out pair by pair; then two that disagree."""
    random = torch.Generator().manual_seed(0)
    A = torch.randn(6, 3, generator=random, dtype=torch.float64) + 2.0
    B = 0.5 * torch.randn(6, 4, generator=random, dtype=torch.float64)
    B[:, :3] += A
    # Tokens by twos: alike in one model, opposite in the other.
    twos = torch.randn(2, 4, 5, generator=random, dtype=torch.float64)
    opposite = torch.cat([twos[0], -twos[0]])
    alike = torch.cat([twos[1], 1.2 * twos[1]]) + 3.0

    def cosines(E: torch.Tensor, *, centre: bool = True, length: bool = True) -> torch.Tensor:
        mean = E.sum(0) / len(E) if centre else 0
        rows = [row - mean for row in E]
        out = torch.zeros(len(E), len(E), dtype=torch.float64)
        for i, r in enumerate(rows):
            for j, s in enumerate(rows):
                scale = (r @ r).sqrt() * (s @ s).sqrt() if length else 1.0
                out[i, j] = (r @ s) / scale
        return out

    def pairs(square: torch.Tensor) -> torch.Tensor:
        return torch.stack([square[i, j] for i in range(len(square)) for j in range(i)])

    a, b = cosines(A), cosines(B)
    unit = [E / E.pow(2).sum(-1, keepdim=True).sqrt() for E in (A, B)]
    too_late = [cosines(E - E.sum(0) / len(E), centre=False, length=False) for E in unit]
    centred_axis = [cosines(E - E.mean(1, keepdim=True), centre=False) for E in (A, B)]
    one = [pairs(cosines(A)), pairs(cosines(B, centre=False))]
    match(
        cosine_pearson(A.float(), B.float()),
        _pearson(pairs(a), pairs(b)),
        what="The correlation",
        mistakes={
            "The diagonal is counted: a token's cosine with itself is 1 in both models, and "
            "raises the correlation for free.": _pearson(a, b),
            "The rows are not centred: take the mean row away from each matrix first.": _pearson(
                pairs(cosines(A, centre=False)), pairs(cosines(B, centre=False))
            ),
            "Neither centred, nor without the diagonal.": _pearson(
                cosines(A, centre=False), cosines(B, centre=False)
            ),
            "Both matrices have to be centred, and one is not.": _pearson(*one),
            "Those are inner products: divide each row by its length, for cosines.": _pearson(
                pairs(cosines(A, length=False)), pairs(cosines(B, length=False))
            ),
            "The rows were divided by their lengths before they were centred: take the mean row "
            "away first, then divide.": _pearson(pairs(too_late[0]), pairs(too_late[1])),
            "The rows were divided by their lengths before they were centred, and after. Divide "
            "once, after.": _pearson(pairs(cosines(unit[0])), pairs(cosines(unit[1]))),
            "You took each row's mean over its coordinates away. The mean *row* is the mean over "
            "tokens, `E.mean(0)`.": _pearson(pairs(centred_axis[0]), pairs(centred_axis[1])),
            "That is a cosine of the two lists of cosines. A Pearson correlation takes the mean "
            "of each list away first.": torch.nn.functional.cosine_similarity(
                pairs(a), pairs(b), dim=0
            ),
            "The diagonal was set to zero, and counted. Leave it out.": _pearson(
                a - torch.diag(a.diagonal()), b - torch.diag(b.diagonal())
            ),
            "The lower triangle was set to zero, and counted. Leave it out.": _pearson(
                a.triu(1), b.triu(1)
            ),
            "That is a covariance: divide by both spreads.": torch.cov(
                torch.stack([pairs(a), pairs(b)])
            )[0, 1],
            "That is a correlation of ranks (Spearman). Pearson's takes the values.": _pearson(
                _ranks(pairs(a)), _ranks(pairs(b))
            ),
            "That is the square of the correlation.": _pearson(pairs(a), pairs(b)) ** 2,
            "That is a table of correlations: return the one number off its diagonal.": (
                torch.corrcoef(torch.stack([pairs(a), pairs(b)]))
            ),
        },
    )
    against = _pearson(pairs(cosines(opposite)), pairs(cosines(alike)))
    match(
        cosine_pearson(opposite.float(), alike.float()),
        against,
        what="Where pairs that are alike in one model are opposite in the other, the correlation",
        mistakes={
            "The sign is lost: models may also disagree, and the correlation is then below "
            "0.": against.abs(),
            "The correlation was cut off at 0: models may also disagree.": torch.tensor(0.0),
            "Two signs are lost: a cosine may be below 0 as well.": _pearson(
                pairs(cosines(opposite)).abs(), pairs(cosines(alike)).abs()
            ),
        },
    )
    return "Centred, cosines, each pair of different tokens."


@exercise("utils.writing.geometry.neighbour_overlap")
def check_neighbour_overlap(neighbour_overlap) -> str:
    """Five tokens: the same, the same in another order, two, none and one; then another k."""
    a = torch.tensor([[3, 5, 7], [0, 2, 4], [9, 8, 1], [1, 2, 6], [6, 7, 8]])
    b = torch.tensor([[3, 5, 7], [4, 0, 2], [8, 9, 0], [7, 8, 9], [1, 6, 2]])
    same = torch.tensor([3.0, 3, 2, 0, 1])
    placed, sorted_placed = (
        (x == y).sum(-1).float() for x, y in ((a, b), (a.sort().values, b.sort().values))
    )
    match(
        neighbour_overlap(a, b),
        same / 3,
        what="The overlaps",
        mistakes={
            "You compare place by place: the first neighbour with the first. A shared neighbour "
            "may stand at another place in the list.": placed / 3,
            "You sort, and then compare place by place: one neighbour that differs moves the "
            "others.": sorted_placed / 3,
            "You look for each neighbour in all lists of B: look in the same token's list.": (
                torch.isin(a, b).float().mean(-1)
            ),
            "That is a count: divide by k, the number of neighbours.": same,
            "That is whether *any* neighbour is shared: take the share of them.": same.sign(),
            "That is whether *all* neighbours are shared: take the share of them.": (
                (same == 3).float()
            ),
            "You divided by the number of tokens, not by the number of neighbours.": same / 5,
            "You divided by the size of the union (that is the Jaccard index); here, divide by "
            "k.": same / (6 - same),
            "A single number: keep the tokens apart.": (same / 3).mean(),
            "That is the share *not* in common.": 1 - same / 3,
            "You divided by k twice, as if all pairs could agree.": same / 9,
        },
    )
    match(
        neighbour_overlap(a[4:, :2], b[4:, :2]),
        torch.tensor([0.5]),
        what="The overlap of one token with two neighbours, [1],",
        mistakes={
            "The axis is lost when there is one token.": 0.5,
            "The number of neighbours is not always 3.": torch.tensor([1 / 3]),
        },
    )
    return "Shared neighbours, whatever their order."


@exercise("utils.writing.geometry.lle_weights")
def check_lle_weights(lle_weights) -> str:
    """Points planted as known mixtures of their neighbours, then a case with a ridge."""
    random = torch.Generator().manual_seed(0)
    neighbours = torch.randn(2, 3, 5, generator=random, dtype=torch.float64) + 1.5
    planted = torch.tensor([[0.6, 0.3, 0.1], [1.2, -0.5, 0.3]], dtype=torch.float64)
    mixed = (planted[..., None] * neighbours).sum(1)
    sizes = planted.abs()
    x = mixed + 0.7 * torch.randn(2, 5, generator=random, dtype=torch.float64)

    def solved(ridge: float, *, centre: bool = True, trace: str = "own", sign: float = -1.0):
        """Weights [2, 3] by Lagrange's conditions; `raw` ones do not sum to 1."""
        zs = [
            near + sign * point if centre else near
            for point, near in zip(x, neighbours, strict=True)
        ]
        raw = []
        for z in zs:
            gram = torch.stack([torch.stack([r @ s for s in z]) for r in z])
            traces = {"own": sum(gram[i, i] for i in range(3)), "none": 1.0}
            traces["all"] = sum(r @ r for each in zs for r in each)
            price = ridge * traces[trace]
            gram = gram + price * torch.eye(3, dtype=torch.float64)
            raw.append(torch.linalg.inv(gram) @ torch.ones(3, dtype=torch.float64))
        raw = torch.stack(raw)
        return raw / raw.sum(-1, keepdim=True), raw

    free = torch.stack(
        [
            torch.linalg.lstsq(near.T, point[:, None]).solution[:, 0]
            for point, near in zip(x, neighbours, strict=True)
        ]
    )
    right, raw = solved(0.1)
    match(
        lle_weights(x, neighbours, ridge=0.1),
        right,
        what="The weights",
        mistakes={
            "They do not sum to 1: divide each row by its sum.": raw,
            "You rebuilt the point without the condition that the weights sum to 1.": free,
            "That is plain least squares, divided by its sum: take the point away from its "
            "neighbours *first*.": free / free.sum(-1, keepdim=True),
            "The Gram matrix is that of the neighbours themselves. Take the point away from "
            "them first.": solved(0.1, centre=False)[0],
            "The point was added to its neighbours. Take it away.": solved(0.1, sign=1.0)[0],
            "The ridge is missing, or was it added to every entry? `ridge` times the trace goes on "
            "the diagonal only.": solved(0.0)[0],
            "The trace was summed over all points: each point's Gram matrix has its own.": solved(
                0.1, trace="all"
            )[0],
            "The ridge is a share of the *trace*: multiply it by the trace of each Gram "
            "matrix.": solved(0.1, trace="none")[0],
            "You used the mean of the diagonal: the trace is its sum.": solved(0.1 / 3)[0],
            "All weights are equal: has the Gram matrix been used?": torch.full((2, 3), 1 / 3),
            "A softmax makes rows sum to 1, but these are other weights. Divide by the "
            "sum.": raw.softmax(-1),
            "You normalised over the points, not over each point's neighbours.": (
                raw / raw.sum(0, keepdim=True)
            ),
            "Divide each row by the sum of its weights, not by their length.": (
                raw / raw.norm(dim=-1, keepdim=True)
            ),
        },
    )
    match(
        lle_weights(mixed, neighbours, ridge=1e-6),
        planted,
        what="The weights of points that are exact mixtures",
        mistakes={
            "A weight may be negative: do not cut it off at zero.": (
                planted.clamp(min=0) / planted.clamp(min=0).sum(-1, keepdim=True)
            ),
            "A weight may be negative: its sign is lost.": sizes,
            "A weight may be negative: its sign is lost, and the sum is another.": (
                sizes / sizes.sum(-1, keepdim=True)
            ),
            "Divide by the sum of the weights, not by the sum of their sizes.": (
                planted / sizes.sum(-1, keepdim=True)
            ),
        },
    )
    match(
        lle_weights(x[:1], neighbours[:1]),
        solved(1e-3)[0][:1],
        what="The weights of one point, [1, k], with the default ridge, 0.001,",
        mistakes={"The axis is lost when there is one point.": solved(1e-3)[0][0]},
    )
    return "They sum to 1, and find the planted mixtures."


@exercise("utils.writing.geometry.intrinsic_dimension")
def check_intrinsic_dimension(intrinsic_dimension) -> str:
    """Neighbourhoods with planted variances along each axis, on both sides of the origin."""
    scales = [[3.0, 3.0, 3.0, 0.1], [4.0, 0.5, 0.4, 0.2]]  # standard deviations
    signs = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()
    corners = torch.cat([signs, -signs])  # 8 points whose 3 axes are uncorrelated, of mean 0
    fourth = corners.prod(-1, keepdim=True)
    cube = torch.cat([corners, fourth], -1)  # 4 uncorrelated axes
    turn = torch.linalg.qr(
        torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).Q
    clouds = [
        (cube * torch.tensor(s, dtype=torch.float64)) @ turn + way * torch.tensor([20.0, -10, 5, 0])
        for s, way in zip(scales, (1, -1), strict=True)
    ]
    E = torch.cat([*clouds, torch.zeros(1, 4, dtype=torch.float64)])
    neighbours = torch.stack([torch.arange(8), 8 + torch.arange(8)])
    variances = torch.tensor(scales).double() ** 2

    def needed(values: torch.Tensor, share: float) -> torch.Tensor:
        shares = values.sort(-1, descending=True).values
        shares = shares.cumsum(-1) / shares.sum(-1, keepdim=True)
        return (shares < share).sum(-1) + 1

    spread = variances.sqrt()
    participation = variances.sum(-1) ** 2 / variances.pow(2).sum(-1)
    for share in (0.6, 0.9, 0.98):
        right = needed(variances, share)
        upwards = variances.sort(-1).values.cumsum(-1) / variances.sum(-1, keepdim=True)
        of_each = variances / variances.sum(-1, keepdim=True)
        match(
            intrinsic_dimension(E, neighbours, share=share),
            right,
            what=f"The dimensions for a share of {share}",
            mistakes={
                "Is `share` used? That is the answer for 0.9.": needed(variances, 0.9),
                "One too few: count the components *until the share is reached*, with the one that "
                "reaches it.": right - 1,
                "One too many.": right + 1,
                "The neighbours are not centred: take the mean of each neighbourhood away, or the "
                "first component is the way from the origin to the cloud. The mean of all of E is "
                "another point.": torch.ones(2),
                "Those are shares of the singular values. Variance goes with their "
                "squares.": needed(spread, share),
                "You began with the smallest component: sort them from large to small.": (
                    upwards < share
                ).sum(-1)
                + 1,
                "That is the participation ratio, another measure: here, count "
                "components.": participation,
                "You counted the components that each hold this share. Add them up, from the "
                "largest.": (of_each >= share).sum(-1),
                "All of the components are counted: stop where the share is reached.": torch.tensor(
                    [4, 4]
                ),
            },
        )
    match(
        intrinsic_dimension(E, neighbours[:1]),
        needed(variances[:1], 0.9),
        what="The dimension of one token, [1], with the default share, 0.9,",
        mistakes={"The axis is lost when there is one token.": needed(variances[0], 0.9)},
    )
    return "Components counted until they hold the share."


@exercise("utils.writing.geometry.fit_map", course_only=True)
def check_fit_map(fit_map) -> str:
    """A planted map with noise, both sides away from the origin, and more rows than columns."""
    random = torch.Generator().manual_seed(0)
    planted = torch.randn(3, 2, generator=random, dtype=torch.float64)
    A = torch.randn(12, 3, generator=random, dtype=torch.float64) + torch.tensor([3.0, -1.0, 2.0])
    noise = torch.randn(12, 2, generator=random, dtype=torch.float64)
    B = A @ planted + 5.0 + 0.4 * noise
    a, b = A - A.sum(0) / 12, B - B.sum(0) / 12

    def normal(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(x.T @ x) @ (x.T @ y)

    right, back = normal(a, b), normal(b, a)
    ones = torch.ones(12, 1, dtype=torch.float64)
    unit = [E / E.norm(dim=-1, keepdim=True) for E in (a, b)]
    match(
        fit_map(A.float(), B.float()),
        right,
        what="T",
        mistakes={
            "That is the map from B to A: exchange the two.": back,
            "T is transposed: `A @ T` should have B's columns, so T is [a, b].": right.T,
            "That is the transposed map from B to A.": back.T,
            "Neither side is centred: take each mean row away first, or T has to explain the "
            "means too.": normal(A, B),
            "B is centred, and A is not. Take A's mean row away too.": normal(A, b),
            "A column of ones is an intercept; T should not hold it. Centre both sides "
            "instead.": normal(torch.cat([A, ones], 1), B),
            "That is `A.T @ B`, without the inverse of `A.T @ A`.": a.T @ b,
            "Those are predictions, `A @ T`. Return T.": a @ right,
            "Those are predictions, with the mean. Return T.": a @ right + B.mean(0),
            "The rows were divided by their lengths: a map has to meet lengths too.": normal(*unit),
            "The columns were divided by their spreads: centre them, no more.": normal(
                a / a.std(0), b / b.std(0)
            ),
            "T has been made a rotation (orthogonal). Here it may stretch too: least squares.": (
                torch.linalg.svd(a.T @ b, full_matrices=False).U
                @ torch.linalg.svd(a.T @ b, full_matrices=False).Vh
            ),
        },
    )
    return "Least squares, both sides centred."
