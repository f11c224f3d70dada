"""How alike the token embeddings of two models are, and how to move a vector from one to the other.

The measures are those of Lee et al. (2025), *Shared Global and Local Geometry of Language Model
Embeddings*, arXiv 2503.21073, some with a stricter comparison beside them. Two models meet in the
tokens that both have, by their strings: row i of one matrix and row i of the other are one token.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils import stats
from utils.activations import next_logits
from utils.guards import (
    as_long_as,
    axes,
    count,
    filled,
    finite,
    guarded,
    index_of,
    number,
    shaped_as,
)
from utils.reading import linear
from utils.stats import Interval
from utils.steering import at_dose, steer


def _below_rows(value: int, given: Mapping) -> str | None:
    n = len(given["E"])
    return None if value < n else f"is {value}, and each of {n} rows has {n - 1} others"


def _two_or_more(value: Tensor, _: Mapping) -> str | None:
    return None if len(value) > 1 else f"has {len(value)} entries: give at least two"


def _around(value: Tensor, given: Mapping) -> str | None:
    """Neighbours of each point, not all of them on it."""
    x = given["x"]
    if value.ndim != 3 or value[:, 0].shape != x.shape:
        return f"has shape {tuple(value.shape)}: give [n, k, d] for points {[*x.shape]}"
    return None if (value != x[:, None]).flatten(1).any(-1).all() else "all lie on their point"


def shared_tokens(
    vocab_a: Mapping[str, int], vocab_b: Mapping[str, int]
) -> tuple[list[str], list[int], list[int]]:
    """The tokens that stand in both vocabularies, their ids in A, and their ids in B.

    All three lists have one order: that of the ids in A.

    Args:
        vocab_a, vocab_b: string -> id, as `model.tokenizer.get_vocab()` gives it. `Ġ` at the start
            of a string stands for a space.
    """
    tokens = sorted(set(vocab_a) & set(vocab_b), key=lambda token: vocab_a[token])
    return tokens, [vocab_a[token] for token in tokens], [vocab_b[token] for token in tokens]


# ---- Global -------------------------------------------------------------------------------------


@guarded(E=(axes(2), filled, finite))
def unit_rows(E: Float[Tensor, "n d"], *, centre: bool = True) -> Float[Tensor, "n d"]:
    """Each row's direction, as seen from the mean row (or from the origin).

    Raises:
        ValueError: a row is the mean row (or the origin): it has no direction.
    """
    E = E.float()
    x = E - E.mean(0) if centre else E
    if not x.any(-1).all():
        at = int((~x.any(-1)).nonzero()[0])
        raise ValueError(f"Row {at} has no direction, as seen from the centre: leave it out.")
    return torch.nn.functional.normalize(x, dim=-1)


def _cosines(
    A: Float[Tensor, "n a"], B: Float[Tensor, "n b"], *, centre: bool
) -> Iterator[tuple[Int[Tensor, " row"], Float[Tensor, "row n"], Float[Tensor, "row n"]]]:
    """Rows, and their cosines with all rows in A and in B; 0 with themselves.

    Some at a time: the whole tables of 20,000 tokens would take gigabytes.
    """
    x, y = unit_rows(A, centre=centre), unit_rows(B, centre=centre)
    for rows in torch.arange(len(x), device=x.device).split(1 + 2**22 // len(x)):
        yield rows, *((z[rows] @ z.T).scatter_(1, rows[:, None], 0.0) for z in (x, y))


def _correlation(
    sums: Float[Tensor, "sum=5 *draw"], size: Float[Tensor, "*draw"]
) -> Float[Tensor, "*draw"]:
    """Pearson's, from the sums of x, y, x squared, y squared and x times y."""
    x, y, xx, yy, xy = sums / size
    spread = (xx - x**2) * (yy - y**2)
    if not (spread > 1e-12).all():
        raise ValueError("All cosines of a model are alike: give at least three rows that differ.")
    return (xy - x * y) / spread.sqrt()


@guarded(A=filled, B=as_long_as("A"))
def cosine_pearson(
    A: Float[Tensor, "n a"], B: Float[Tensor, "n b"], *, centre: bool = True
) -> float:
    """Pearson correlation of the cosines of all pairs of rows in A with the same pairs in B.

    A token's cosine with itself is left out: it is 1 in every model.

    Raises:
        ValueError: fewer than three rows, not as many in both, or rows without a direction.
    """
    sums = torch.zeros(5, dtype=torch.float64)
    for _, a, b in _cosines(A, B, centre=centre):
        a, b = a.double().flatten(), b.double().flatten()
        sums += torch.stack([a.sum(), b.sum(), a @ a, b @ b, a @ b]).cpu()
    return _correlation(sums, torch.tensor(float(max(len(A) * (len(A) - 1), 1)))).item()


@guarded(A=filled, B=as_long_as("A"), n=count())
def pearson_interval(
    A: Float[Tensor, "n a"],
    B: Float[Tensor, "n b"],
    *,
    centre: bool = True,
    n: int = 100,
    generator: torch.Generator | None = None,
) -> Interval:
    """The 95% interval of `cosine_pearson` by a bootstrap over tokens.

    Tokens are drawn, not pairs: the pairs of one token are not independent. A token that is drawn
    twice is not paired with itself.

    Args:
        n: how many times to draw.
        generator: of the draws, on the CPU; without one they are the same each time.
    """
    generator = generator or torch.Generator().manual_seed(0)
    # Drawing rows with replacement is giving each a count, and each pair the product of two.
    drawn = torch.randint(len(A), (n, len(A)), generator=generator)
    times = torch.zeros(n, len(A)).scatter_add_(1, drawn, torch.ones(drawn.shape)).to(A.device)
    sums = torch.zeros(5, n, dtype=torch.float64)
    for rows, a, b in _cosines(A, B, centre=centre):
        for total, values in zip(sums, (a, b, a * a, b * b, a * b), strict=True):
            total += ((times[:, rows] @ values) * times).sum(-1).double().cpu()
    size = (times.sum(-1) ** 2 - times.pow(2).sum(-1)).double().cpu()
    return stats.percentiles(_correlation(sums, size))


# ---- Local --------------------------------------------------------------------------------------


@guarded(E=filled, k=(count(), _below_rows))
def nearest_rows(E: Float[Tensor, "n d"], k: int, *, centre: bool = True) -> Int[Tensor, "n k"]:
    """The k rows of highest cosine with each row, nearest first, without the row itself."""
    x = unit_rows(E, centre=centre)
    found = [
        (x[rows] @ x.T).scatter_(1, rows[:, None], -2.0).topk(k).indices
        for rows in torch.arange(len(x), device=x.device).split(2000)
    ]
    return torch.cat(found)


@guarded(a=(axes(2), filled), b=shaped_as("a"))
def neighbour_overlap(a: Int[Tensor, "n k"], b: Int[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """The share of each token's k neighbours in A that are among its k neighbours in B.

    Args:
        a: for each token the indices of its k nearest tokens in model A, nearest first.
        b: the same in model B.
    """
    return (a[:, :, None] == b[:, None, :]).any(-1).float().mean(-1)


@guarded(x=(axes(2), filled, finite), neighbours=(_around, finite), ridge=number(low=0))
def lle_weights(
    x: Float[Tensor, "n d"], neighbours: Float[Tensor, "n k d"], *, ridge: float = 1e-3
) -> Float[Tensor, "n k"]:
    """The weights with which its neighbours best rebuild each point; each row sums to 1.

    They do not change when all points are moved, turned or scaled together.

    Args:
        x: the points.
        neighbours: the vectors of each point's k neighbours.
        ridge: times the trace of a point's Gram matrix, it is added to that matrix's diagonal.

    Source: the first step of locally linear embedding (Roweis and Saul, Science 2000).
    """
    z = (neighbours - x[:, None]).double()  # a Gram matrix may be nearly singular
    gram = z @ z.mT
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    gram = gram + ridge * trace * torch.eye(gram.shape[-1]).to(gram)
    w = torch.linalg.solve(gram, torch.ones_like(gram[..., :1]))[..., 0]
    return (w / w.sum(-1, keepdim=True)).to(x)


@guarded(a=(axes(2), filled, finite), b=(shaped_as("a"), finite))
def row_pearson(a: Float[Tensor, "n k"], b: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Pearson correlation of each row of a with the same row of b.

    Raises:
        ValueError: the numbers of a row are all alike, or the shapes are not.
    """
    if not all((x.amax(-1) > x.amin(-1)).all() for x in (a, b)):
        raise ValueError("The numbers of a row are all alike: that correlates with nothing.")
    a, b = (x - x.mean(-1, keepdim=True) for x in (a, b))
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


@guarded(
    E=(axes(2), filled, finite),
    neighbours=(axes(2), filled, index_of("E")),
    share=number(low=0, high=1, over=True),
)
def intrinsic_dimension(
    E: Float[Tensor, "token d"], neighbours: Int[Tensor, "n k"], *, share: float = 0.9
) -> Int[Tensor, " n"]:
    """How many principal components hold this share of the variance of each token's neighbours.

    Lee et al.'s measure. At most k - 1, so compare only tokens and models of one k.

    Raises:
        ValueError: a token's neighbours do not differ, an index or the share is out of range.
    """
    found = []
    for rows in neighbours.split(500):
        x = E[rows].double()
        x = x - x.mean(1, keepdim=True)
        # Of the k x k matrix of inner products, which has the same eigenvalues as the covariance.
        variance = torch.linalg.eigvalsh(x @ x.mT).flip(-1).clamp(min=0)
        if not (variance.sum(-1) > 0).all():
            raise ValueError("A token's neighbours are all alike: give two that differ, or more.")
        held = variance.cumsum(-1) / variance.sum(-1, keepdim=True)
        found.append((held < share - 1e-9).sum(-1) + 1)
    return torch.cat(found)


# ---- Moving a vector ----------------------------------------------------------------------------


@guarded(A=(axes(2), filled, finite), B=(axes(2), as_long_as("A"), finite), ridge=number(low=0))
def fit_map(
    A: Float[Tensor, "n a"], B: Float[Tensor, "n b"], *, ridge: float = 0.0
) -> Float[Tensor, "a b"]:
    """T for which `(A - its mean) @ T` is nearest to `B - its mean`, by least squares.

    A direction v of A, being a difference, is moved by `v @ T`: no mean is added.

    Args:
        ridge: the penalty of large weights, as a share of A's mean variance times n; 0 is plain
            least squares, as in Lee et al.'s Emb2Emb.

    Raises:
        ValueError: without a ridge, A must have more rows than columns.
    """
    n, width = A.shape
    if not ridge and n <= width:
        raise ValueError(
            f"{n} tokens cannot fit {width} weights for each coordinate: give more tokens, or a "
            f"ridge above 0."
        )
    variance = (A - A.mean(0)).double().square().mean().item()
    return linear.ridge(A, B, penalty=ridge * variance * n).weights.to(B)


@guarded(T=(axes(2), finite), A=(axes(2), filled, finite), B=(axes(2), as_long_as("A"), finite))
def map_fit(
    T: Float[Tensor, "a b"],
    A: Float[Tensor, "n a"],
    B: Float[Tensor, "n b"],
    *,
    means: tuple[Float[Tensor, " a"], Float[Tensor, " b"]],
) -> float:
    """The share of B's variance that the map explains (R squared); hand it tokens not fitted on.

    Args:
        means: of the rows that T was fitted on.

    Raises:
        ValueError: T, the rows and the means do not fit together, or B is its mean everywhere.
    """
    sizes = (A.shape[1], B.shape[1])
    if tuple(T.shape) != sizes or tuple(len(mean.flatten()) for mean in means) != sizes:
        raise ValueError(f"Rows {sizes[0]} and {sizes[1]} wide need T and means of these sizes.")
    centred = B - means[1]
    if not centred.any():
        raise ValueError("B is its mean in every row: there is nothing to explain.")
    return (1 - ((A - means[0]) @ T - centred).pow(2).sum() / centred.pow(2).sum()).item()


@guarded(pairs=filled)
def log_odds(
    model, texts: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> Float[Tensor, " pair"]:
    """log p(first token) - log p(second token) after each text, mean over the texts.

    Args:
        pairs: of tokens, spelt as in the model's vocabulary.

    Raises:
        ValueError: a pair is not two tokens of the model, or a text does not fit its context.
    """
    own = model.tokenizer.get_vocab()
    if any(isinstance(pair, str) or len(pair) != 2 for pair in pairs):
        raise ValueError("Each of `pairs` is two tokens.")
    if unknown := [token for pair in pairs for token in pair if token not in own]:
        raise ValueError(
            f"{unknown[0]!r} is no token of this model: spell it as its vocabulary does, where "
            "`Ġ` or `▁` stands for a space."
        )
    ids = torch.tensor([[own[token] for token in pair] for pair in pairs])
    with torch.no_grad():
        log_p = next_logits(model, texts).log_softmax(-1)
    return (log_p[:, ids[:, 0]] - log_p[:, ids[:, 1]]).mean(0)


@guarded(vectors=(axes(2), filled))
def steering_effects(
    model,
    vectors: Float[Tensor, "n d_model"],
    texts: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    *,
    layer: int,
    norm: float,
) -> Float[Tensor, "n pair"]:
    """What adding each vector does to `log_odds`, in nats; BOS is left alone.

    Args:
        layer: as in `utils.steering.steer`.
        norm: the length that every vector gets, such as `utils.steering.typical_norm`.
    """
    plain, found = log_odds(model, texts, pairs), []
    for v in at_dose(vectors, 1.0, norm=norm).to(model.cfg.device):
        with steer(model, v, layer=layer, positions=slice(1, None)):
            found.append(log_odds(model, texts, pairs) - plain)
    return torch.stack(found)


# ---- Controls and comparisons -------------------------------------------------------------------


@guarded(counts=(axes(1), finite, _two_or_more), window=count(low=2))
def like_frequency(
    counts: Int[Tensor, " n"], *, generator: torch.Generator, window: int = 20
) -> Int[Tensor, " n"]:
    """A permutation that gives every token another one of like frequency.

    Tokens are sorted by count, ties at random, cut into runs of `window`, and each run is turned
    by a random number of places, so that no token keeps its own.
    """
    ties = torch.rand(len(counts), generator=generator, dtype=torch.float64)
    order = (counts.double().cpu() + 0.5 * ties).argsort()
    other = torch.empty_like(order)
    runs = list(order.split(window))
    if len(runs) > 1 and len(runs[-1]) < 2:
        runs[-2:] = [torch.cat(runs[-2:])]
    for run in runs:
        by = int(torch.randint(1, max(len(run), 2), (1,), generator=generator))
        other[run] = run.roll(by)
    return other


@guarded(E=(axes(2), _two_or_more, finite))
def gaussian_like(E: Float[Tensor, "n d"], *, generator: torch.Generator) -> Float[Tensor, "n d"]:
    """Random rows of the shape of E, with the mean and covariance of E's rows.

    So it has E's overall shape (its few long axes), and forgets which token lies where.
    """
    drawn = torch.randn(E.shape, generator=generator).to(E)
    centred = (E - E.mean(0)).double()
    values, axes = torch.linalg.eigh(centred.T @ centred / len(E))
    root = (axes * values.clamp(min=0).sqrt()) @ axes.T
    return (drawn.double() @ root).to(E) + E.mean(0)


class Likeness(NamedTuple):
    """How alike two sets of embeddings are; `overlap` and `lle` hold a value for each token."""

    pearson: float
    overlap: Float[Tensor, " n"]
    lle: Float[Tensor, " n"]


@guarded(A=filled, B=as_long_as("A"))
def likeness(
    A: Float[Tensor, "n a"], B: Float[Tensor, "n b"], *, k: int = 10, centre: bool = True
) -> Likeness:
    """The three comparisons of row i of A with row i of B.

    `pearson` is `cosine_pearson`; `overlap` is `neighbour_overlap`; `lle` is the `row_pearson` of
    the two models' weights over the *same* neighbours, those of A.
    """
    a, b = nearest_rows(A, k, centre=centre), nearest_rows(B, k, centre=centre)
    x, y = unit_rows(A, centre=centre), unit_rows(B, centre=centre)
    lle = row_pearson(lle_weights(x, x[a]), lle_weights(y, y[a]))
    return Likeness(cosine_pearson(A, B, centre=centre), neighbour_overlap(a, b), lle)


def vocabulary(model) -> dict[str, int]:
    """String -> id of a model's tokens, without its special ones.

    A space before a word is spelt `Ġ`, also where the tokenizer itself spells it `▁`.

    Raises:
        ValueError: the model has no tokenizer.
    """
    if getattr(model, "tokenizer", None) is None:
        raise ValueError(
            f"{model.cfg.model_name} has no tokenizer, and tokens are matched by their strings."
        )
    special = set(model.tokenizer.all_special_tokens)
    own = model.tokenizer.get_vocab()
    return {token.replace("▁", "Ġ"): i for token, i in own.items() if token not in special}


def embeddings(
    model_a, model_b, *, at_least: tuple[Mapping[str, int], int] | None = None
) -> tuple[list[str], Float[Tensor, "n a"], Float[Tensor, "n b"]]:
    """The tokens that two models share, and each model's embeddings of them, on the CPU.

    Special tokens of either model are left out.

    Args:
        model_a, model_b: TransformerBridges with tokenizers.
        at_least: (counts, m) keeps the tokens that `counts` gives at least m.

    Raises:
        ValueError: a model has no tokenizer, or no token is left.
    """
    vocab_a, vocab_b = vocabulary(model_a), vocabulary(model_b)
    if at_least is not None:
        counts, fewest = at_least
        vocab_a = {token: i for token, i in vocab_a.items() if counts.get(token, 0) >= fewest}
    tokens, *ids = shared_tokens(vocab_a, vocab_b)
    if not tokens:
        raise ValueError("The two models share no token that is left: ask for a lower count.")
    A, B = (
        model.W_E.detach().float().cpu()[rows]
        for model, rows in zip((model_a, model_b), ids, strict=True)
    )
    return tokens, A, B


def compare(
    model_a,
    model_b,
    *,
    at_least: tuple[Mapping[str, int], int] | None = None,
    k: int = 10,
    ridge: float = 0.1,
) -> dict[str, float]:
    """Every comparison of two models' embeddings, each beside its control of shuffled pairs.

    What is random is the same in each call.

    Args:
        model_a, model_b: any two TransformerBridges with tokenizers that share strings.
        at_least: see `embeddings`; with counts, tokens are also paired by like frequency.
        ridge: of the map, which is fitted on four tokens of five, and tested on the fifth.

    Returns:
        What was measured -> its value: "tokens", "pearson", "overlap", "lle" and "map" (the share
        of variance explained on held-out tokens); the same with ", shuffled" after the name, and
        "overlap, chance"; with counts also "pearson, like frequency".

    Raises:
        ValueError: fewer than ten tokens are shared, or not more than k, or as for `embeddings`.
    """
    tokens, A, B = embeddings(model_a, model_b, at_least=at_least)
    n = len(tokens)
    if n < 10:
        raise ValueError(f"{n} shared tokens are too few to compare: ask for a lower count.")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    out, fitted = order.split([n // 5, n - n // 5])
    other = torch.empty_like(order)
    other[order] = order.roll(1)  # every token gets another one
    found = {"tokens": float(n), "overlap, chance": k / (n - 1)}
    for name, right in (("", B), (", shuffled", B[other])):
        alike = likeness(A, right, k=k)
        T = fit_map(A[fitted], right[fitted], ridge=ridge)
        means = A[fitted].mean(0), right[fitted].mean(0)
        found |= {
            f"pearson{name}": alike.pearson,
            f"overlap{name}": alike.overlap.mean().item(),
            f"lle{name}": alike.lle.mean().item(),
            f"map{name}": map_fit(T, A[out], B[out], means=means),
        }
    if at_least is not None:
        counts = torch.tensor([at_least[0][token] for token in tokens])
        partner = like_frequency(counts, generator=torch.Generator().manual_seed(0))
        found["pearson, like frequency"] = cosine_pearson(A, B[partner])
    return found
