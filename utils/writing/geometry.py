"""How alike the token embeddings of two models are, and how to move a vector from one to the other.

The measures are those of Lee et al. (2025), *Shared Global and Local Geometry of Language Model
Embeddings*, arXiv 2503.21073. Two models meet in the words that both have as one token: row i of
one matrix and row i of the other are one word.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

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


def _three_or_more(value: Tensor, _: Mapping) -> str | None:
    return None if len(value) > 2 else f"has {len(value)} rows: give at least three"


def _more_than(value: int, given: Mapping) -> str | None:
    n = len(given["A"])
    return None if value < n else f"is {value}, and each of {n} rows has {n - 1} others"


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


@guarded(tokens=filled)
def rows_of(model, tokens: Sequence[str]) -> Float[Tensor, "word d_model"]:
    """A model's embeddings of some tokens, on the CPU.

    Args:
        tokens: spelt as in `vocabulary`.

    Raises:
        ValueError: the model does not have one of them.
    """
    own = vocabulary(model)
    if missing := [token for token in tokens if token not in own]:
        raise ValueError(f"{missing[0]!r} is no token of {model.cfg.model_name}: leave it out.")
    return model.W_E.detach().float().cpu()[[own[token] for token in tokens]]


# ---- Global -------------------------------------------------------------------------------------


@guarded(A=(axes(2), filled, finite, _three_or_more), B=(axes(2), as_long_as("A"), finite))
def rsa(A: Float[Tensor, "word a"], B: Float[Tensor, "word b"]) -> float:
    """Pearson correlation of the cosines of all pairs of words in A with the same pairs in B.

    Each model's mean row is taken away first. Each pair counts once, and no word with itself.

    Args:
        A: the words' embeddings in one model.
        B: those in the other; b need not be a.
    """
    rows, columns = torch.triu_indices(len(A), len(A), offset=1)
    pairs = []
    for E in (A, B):
        centred = E - E.mean(0)
        unit = centred / centred.norm(dim=-1, keepdim=True)
        pairs.append((unit @ unit.T)[rows, columns])
    return torch.corrcoef(torch.stack(pairs))[0, 1].item()


@guarded(E=(axes(2), filled, finite))
def unit_rows(E: Float[Tensor, "word d"], *, centre: bool = True) -> Float[Tensor, "word d"]:
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


# ---- The map ------------------------------------------------------------------------------------


def _enough_rows(ridge: float, given: Mapping) -> str | None:
    n, width = given["A"].shape
    if ridge or n > width:
        return None
    return f"is 0, and {n} words cannot fit {width} weights: give more, or a ridge above 0"


@guarded(
    A=(axes(2), filled, finite),
    B=(axes(2), as_long_as("A"), finite),
    ridge=(number(low=0), _enough_rows),
)
def fit_map(
    A: Float[Tensor, "word a"], B: Float[Tensor, "word b"], *, ridge: float = 0.0
) -> Float[Tensor, "a b"]:
    """T for which `(A - its mean row) @ T` is nearest to `B - its mean row`, by least squares.

    With a penalty on large weights, as in ridge regression: T solves
    `(a.T @ a + ridge * n * s * I) T = a.T @ b`, where a and b are A and B without their mean rows,
    n is the number of words, and s is the mean of all squared entries of a.

    A direction v of A, being a difference, is moved by `v @ T`: no mean is added.
    """
    a, b = A - A.mean(0), B - B.mean(0)
    penalty = ridge * len(a) * a.square().mean()
    gram = a.T @ a + penalty * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    return torch.linalg.solve(gram, a.T @ b)


@guarded(A=(axes(2), filled, finite), B=(axes(2), as_long_as("A"), finite))
def procrustes(A: Float[Tensor, "word a"], B: Float[Tensor, "word b"]) -> Float[Tensor, "a b"]:
    """The best map from A to B that only turns and scales: all lengths grow by one factor.

    Where b is below a, it projects first.

    Source: Schönemann, 1966, by a singular value decomposition.
    """
    a, b = A - A.mean(0), B - B.mean(0)
    U, S, Vh = torch.linalg.svd(a.T @ b, full_matrices=False)
    turn = U @ Vh
    return turn * S.sum() / (a @ turn).square().sum()


@guarded(A=(axes(2), filled, finite), B=(axes(2), as_long_as("A"), finite))
def judge_map(
    T: Float[Tensor, "a b"],
    A: Float[Tensor, "word a"],
    B: Float[Tensor, "word b"],
    *,
    fit: Int[Tensor, " n"],
    test: Int[Tensor, " m"],
) -> tuple[float, float]:
    """R squared on the words `test`, and the share of them whose image is nearest to its own word.

    Nearest by cosine, among all rows of B. R squared is the share of B's variance that the map
    explains; it is below 0 where the mean row of the words `fit` would do better.

    Args:
        fit: the rows that T was fitted on, whose means are taken away.
        test: other rows.

    Raises:
        ValueError: T does not fit the rows, or B is its mean everywhere.
    """
    if tuple(T.shape) != (A.shape[1], B.shape[1]):
        raise ValueError(f"Rows {A.shape[1]} and {B.shape[1]} wide need a T of that shape.")
    image, true = (A[test] - A[fit].mean(0)) @ T, B[test] - B[fit].mean(0)
    if not true.any():
        raise ValueError("B is its mean in every row: there is nothing to explain.")
    explained = 1 - (image - true).square().sum() / true.square().sum()
    centred = torch.nn.functional.normalize(B - B[fit].mean(0), dim=-1)
    found = (torch.nn.functional.normalize(image, dim=-1) @ centred.T).argmax(-1)
    return explained.item(), (found == test).double().mean().item()


# ---- Controls -----------------------------------------------------------------------------------


@guarded(counts=(axes(1), finite, _two_or_more), window=count(low=2))
def like_frequency(
    counts: Int[Tensor, " word"], *, generator: torch.Generator, window: int = 20
) -> Int[Tensor, " word"]:
    """For each word the index of *another* word of like frequency; each word is used once.

    Words are sorted from rare to frequent and cut into runs of `window` (the last run takes what is
    left over, so that it is not shorter). In each run every word is given the one that stands a few
    places further, and the last ones the first: by how many places, from 1 to the run's length less
    1, is drawn at random for each run.

    Args:
        counts: how often each word occurs.
        generator: of all that is drawn.
    """
    order, other = counts.argsort(), torch.empty_like(counts)
    n_runs = max(len(counts) // window, 1)
    for i in range(n_runs):
        end = (i + 1) * window if i + 1 < n_runs else len(counts)
        run = order[i * window : end]
        by = int(torch.randint(1, len(run), (1,), generator=generator))
        other[run] = run.roll(-by)
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


# ---- Moving a vector ----------------------------------------------------------------------------


@guarded(A=(axes(2), filled, finite), B=(axes(2), as_long_as("A"), finite), k=(count(), _more_than))
def read_both(
    v: Float[Tensor, " a"],
    moved: Float[Tensor, " b"],
    A: Float[Tensor, "word a"],
    B: Float[Tensor, "word b"],
    *,
    k: int = 20,
) -> tuple[list[int], list[int], float]:
    """What a direction says in two models: the words of the highest scores, and how many agree.

    A word's score is the inner product of the direction with the word's embedding, from which the
    mean row was taken away, and which was then scaled to length 1.

    Args:
        v: the direction in the model of A.
        moved: its image in the model of B.

    Returns:
        the indices of v's k highest words in A, highest first; those of `moved` in B; and the share
        of the k that both lists have.
    """
    scores = []
    for E, direction in ((A, v), (B, moved)):
        centred = E - E.mean(0)
        unit = centred / centred.norm(dim=-1, keepdim=True)
        scores.append(unit @ direction)
    first, second = (each.topk(k).indices.tolist() for each in scores)
    return first, second, len(set(first) & set(second)) / k


@guarded(pairs=filled)
def bag_of_words(model, pairs: Sequence[tuple[str, str]]) -> Float[Tensor, "1 d_model"]:
    """Mean embedding of the first sentences' tokens minus that of the second ones': no layer runs.

    Each sentence counts alike. On the CPU.
    """
    W_E, means = model.W_E.detach().float().cpu(), []
    for pair in pairs:
        first, second = (W_E[model.to_tokens(text, prepend_bos=False)[0].cpu()] for text in pair)
        means.append(first.mean(0) - second.mean(0))
    return torch.stack(means).mean(0, keepdim=True)


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


@guarded(vectors=(axes(2), filled, finite), norm=number(low=0, over=True))
def steering_effects(
    model,
    vectors: Float[Tensor, "vector d_model"],
    measure: Callable[[], Float[Tensor, " pair"]],
    *,
    layer: int,
    norm: float,
) -> Float[Tensor, "vector pair"]:
    """By how much each vector changes what `measure` gives.

    The vector is added to the residual stream before block `layer`, at all positions but the first,
    BOS. No hook stays on the model.

    Args:
        vectors: of any length.
        measure: runs the model, and returns a number for each pair of words.
        norm: the length that every vector gets before it is added.
    """
    place, plain, found = f"blocks.{layer}.hook_resid_pre", measure(), []
    for v in vectors:
        step = norm * v / v.norm()

        def add(resid, hook, step=step):
            out = resid.clone()
            out[:, 1:] += step.to(resid)
            return out

        with model.hooks(fwd_hooks=[(place, add)]):
            found.append(measure() - plain)
    return torch.stack(found)


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


@guarded(A=(axes(2), filled, finite), B=(axes(2), as_long_as("A"), finite), k=(count(), _more_than))
def lle_agreement(
    A: Float[Tensor, "word a"], B: Float[Tensor, "word b"], *, k: int = 10
) -> Float[Tensor, " word"]:
    """For each word: how alike its place among its neighbours is in A and in B.

    In each model, embeddings are centred and scaled to length 1. The word's k nearest other words
    *in that model* by cosine get the weights that rebuild it best from them, and all other words
    the weight 0. The agreement is the cosine of the two rows of weights.
    """
    rows = []
    for E in (A, B):
        unit = unit_rows(E)
        cosines = unit @ unit.T
        cosines.fill_diagonal_(-2)
        near = cosines.topk(k).indices
        weights = lle_weights(unit, unit[near])
        rows.append(torch.zeros_like(cosines).scatter_(1, near, weights))
    return torch.nn.functional.cosine_similarity(*rows, dim=-1)


@guarded(
    E=(axes(2), filled, finite),
    neighbours=(axes(2), filled, index_of("E")),
    share=number(low=0, high=1, over=True),
)
def intrinsic_dimension(
    E: Float[Tensor, "word d"], neighbours: Int[Tensor, "n k"], *, share: float = 0.9
) -> Int[Tensor, " n"]:
    """How many principal components hold this share of the variance of each word's neighbours.

    The neighbours' own mean is taken away. It is at most k - 1: compare results of one k alone.

    Args:
        neighbours: for each of n words the rows of E that are its neighbours.
    """
    x = E[neighbours]
    x = x - x.mean(1, keepdim=True)
    variance = torch.linalg.svdvals(x).square()
    held = variance.cumsum(-1) / variance.sum(-1, keepdim=True)
    return (held < share).sum(-1) + 1


@guarded(E=(axes(2), filled, finite), neighbours=(axes(2), filled, index_of("E")))
def coherence(E: Float[Tensor, "word d"], neighbours: Int[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """The mean cosine of each word's neighbours with one another, in the space of E.

    Take the neighbours from another model than E, or the same noise enters both.
    """
    unit, k = unit_rows(E), neighbours.shape[1]
    found = []
    for rows in neighbours.split(500):
        length = unit[rows].sum(1).square().sum(-1)
        found.append((length - k) / (k * (k - 1)))
    return torch.cat(found)


# ---- The investigation --------------------------------------------------------------------------


class SealedMaps:
    """Three maps from A to B under the letters a, b and c, and a budget of vectors to move.

    One was fitted on true pairs, one on pairs of which half, drawn at random, are exchanged among
    themselves, and one on pairs of like frequency.
    """

    @guarded(A=(axes(2), filled, finite), B=(axes(2), as_long_as("A"), finite), budget=count())
    def __init__(
        self,
        A: Float[Tensor, "word a"],
        B: Float[Tensor, "word b"],
        counts: Int[Tensor, " word"],
        *,
        order: Sequence[str],
        ridge: float,
        budget: int = 12,
    ):
        generator = torch.Generator().manual_seed(0)
        half = torch.randperm(len(A), generator=generator)[: len(A) // 2]
        mixed = torch.arange(len(A))
        mixed[half] = half.roll(1)
        pairings = {
            "true": torch.arange(len(A)),
            "half": mixed,
            "frequency": like_frequency(counts, generator=generator),
        }
        self._maps = {
            letter: fit_map(A, B[pairings[kind]], ridge=ridge)
            for letter, kind in zip("abc", order, strict=True)
        }
        self.left = budget

    def move(self, letter: str, vectors: Float[Tensor, "n a"]) -> Float[Tensor, "n b"]:
        """The images of some vectors; each of them counts against the budget.

        Raises:
            ValueError: there is no such letter, or the budget is spent.
        """
        if letter not in self._maps:
            raise ValueError(f"There is no map {letter!r}: choose a, b or c.")
        if len(vectors) > self.left:
            raise ValueError(
                f"{self.left} vectors are left, not {len(vectors)}: run the cell that made the "
                "maps again to begin anew."
            )
        self.left -= len(vectors)
        return vectors @ self._maps[letter]
