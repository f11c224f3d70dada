"""A dictionary's latents: examples, descriptions and their scores; copies; steering by a latent.

A latent is one unit of a sparse autoencoder. The functions take its activations at every token of
some texts, laid end to end; so any direction with a threshold can stand in for a latent.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from data.concepts import task as concepts
from utils.features.guards import (
    as_wide_as,
    between,
    mask,
    of_texts,
    precise,
    whole,
)
from utils.features.sae import TopKSAE, harvest
from utils.guards import (
    as_long_as,
    axes,
    count,
    filled,
    finite,
    floating,
    guarded,
    index_of,
    layer_of,
    no_zeros,
    number,
    plain,
    shaped_as,
)
from utils.reading.linear import r_squared, ridge
from utils.stats import bootstrap
from utils.steering import at_dose, steer, typical_norm
from utils.writing import contrast

# ---- Texts and activity -------------------------------------------------------------------------


class Corpus(NamedTuple):
    """Texts end to end.

    Attributes:
        tokens: [token], ids, without BOS.
        text: [token], the number of the text that each token is in.
    """

    tokens: Int[Tensor, " token"]
    text: Int[Tensor, " token"]

    @guarded(before=count(low=0), after=count(low=0))
    def around(self, position: int, *, before: int = 10, after: int = 4) -> tuple[list[int], int]:
        """Positions of the tokens around one of them, all of its text, and which of these it is."""
        if not 0 <= position < len(self.tokens):
            raise ValueError(f"There is no token {position}: there are {len(self.tokens)}, from 0.")
        near = range(max(position - before, 0), min(position + after + 1, len(self.tokens)))
        inside = [i for i in near if self.text[i] == self.text[position]]
        return inside, inside.index(position)


def _whole_numbers(rows: Sequence[Tensor], _: Mapping) -> str | None:
    return next((wrong for row in rows if (wrong := whole(row, {}))), None)


@guarded(rows=(filled, _whole_numbers))
def corpus(rows: Sequence[Int[Tensor, " _"]]) -> Corpus:
    """Lay texts end to end, as `utils.features.sae.harvest` lays their vectors."""
    lengths = torch.tensor([len(row) for row in rows])
    return Corpus(torch.cat(list(rows)).long(), torch.arange(len(rows)).repeat_interleave(lengths))


@guarded(rows=filled, n_tokens=count())
def some(
    rows: Sequence[Int[Tensor, " _"]],
    n_tokens: int,
    *,
    generator: torch.Generator | None = None,
) -> list[Int[Tensor, " _"]]:
    """Texts drawn at random, until they have `n_tokens` together (or there are no more).

    Args:
        generator: of the draw; without one, it is the same in each call.
    """
    chosen, total = [], 0
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.randperm(len(rows), generator=generator).tolist()
    while order and total < n_tokens:
        chosen.append(rows[order.pop()])
        total += len(chosen[-1])
    return chosen


class Activity(NamedTuple):
    """Activations of all latents at every token, only those above 0 kept.

    Attributes:
        index: [token, k], which latents, k for each token; those with value 0 do not count.
        value: [token, k], how active they are.
        d_sae: how many latents there are.
    """

    index: Int[Tensor, "token k"]
    value: Float[Tensor, "token k"]
    d_sae: int

    def of(self, latents: Sequence[int] | Int[Tensor, " m"]) -> Float[Tensor, "token m"]:
        """The activations of some latents at every token, zeros and all.

        Raises:
            ValueError: there is no such latent.
        """
        latents = torch.as_tensor(latents)
        if len(latents) and (whole(latents, {}) or int(latents.max()) >= self.d_sae):
            raise ValueError(f"Latents are whole numbers from 0 to {self.d_sae - 1}: {latents}.")
        latents, column = latents.long(), torch.full((self.d_sae,), -1)
        column[latents] = torch.arange(len(latents))
        found = torch.zeros(len(self.index), len(latents))
        at, slot = (column[self.index] >= 0).nonzero(as_tuple=True)
        found[at, column[self.index[at, slot]]] = self.value[at, slot]
        place = column[latents]  # another one's, where a latent is asked for twice
        return found if torch.equal(place, torch.arange(len(latents))) else found[:, place]

    @guarded(tokens=mask)
    def at(self, tokens: Bool[Tensor, " token"]) -> "Activity":
        """The same at some of the tokens."""
        if len(tokens) != len(self.index):
            raise ValueError(f"`tokens` has {len(tokens)} entries for {len(self.index)} tokens.")
        return Activity(self.index[tokens], self.value[tokens], self.d_sae)

    @guarded(b_dec=as_wide_as("W_dec"))
    def rebuilt(
        self, W_dec: Float[Tensor, "d_sae d_in"], b_dec: Float[Tensor, " d_in"]
    ) -> Float[Tensor, "token d_in"]:
        """The vectors that the active latents stand for."""
        if len(W_dec) != self.d_sae:
            raise ValueError(f"`W_dec` has {len(W_dec)} directions for {self.d_sae} latents.")
        return b_dec + F.embedding_bag(self.index, W_dec, per_sample_weights=self.value, mode="sum")

    @property
    def density(self) -> Float[Tensor, " d_sae"]:
        """The share of the tokens at which each latent is active."""
        counts = torch.bincount(self.index[self.value > 0], minlength=self.d_sae)
        return counts / len(self.index)


@guarded(x=(axes(2), filled), k=count(), batch_size=count())
@torch.no_grad()
def activity(
    encode: Callable[[Float[Tensor, "batch d_in"]], Float[Tensor, "batch d_sae"]],
    x: Float[Tensor, "token d_in"],
    *,
    k: int,
    batch_size: int = 2048,
) -> Activity:
    """Encode vectors, and keep the k largest activations of each.

    Args:
        encode: gives the activations of a batch, none below 0, such as an SAE's `encode`.

    Raises:
        ValueError: some are below 0 or not finite, or there are fewer than k.
    """
    values, indices, d_sae = [], [], 0
    for part in x.split(batch_size):
        acts = encode(part)
        d_sae = acts.shape[-1]
        if k > d_sae or not bool(((acts >= 0) & acts.isfinite()).all()):
            raise ValueError(
                f"`encode` has to give {k} activations or more for each vector, none below 0 and "
                f"all finite: it gave {d_sae}, from {acts.min():g} to {acts.max():g}."
            )
        value, index = acts.topk(k, dim=-1)
        values.append(value.cpu())
        indices.append(index.cpu())
    return Activity(torch.cat(indices), torch.cat(values), d_sae)


# ---- What the dashboard shows -------------------------------------------------------------------


@guarded(acts=(axes(1), finite), text=(axes(1), as_long_as("acts")), n=count())
def top_examples(
    acts: Float[Tensor, " token"], text: Int[Tensor, " token"], n: int
) -> Int[Tensor, " n"]:
    """Positions where a latent is most active, strongest first: at most one token of each text.

    Fewer than `n` where the latent is active in fewer texts.

    Args:
        acts: the latent's activation at each token, none below 0.
        text: the number of the text that each token is in.
    """
    order = acts.argsort(descending=True, stable=True)
    first_of = {}  # text -> its best token, in the order of their activations
    for position in order[acts[order] > 0].tolist():
        first_of.setdefault(int(text[position]), position)
    return torch.tensor(list(first_of.values())[:n], dtype=torch.long)


@guarded(
    direction=(axes(1), floating, finite, no_zeros),
    norm_weight=(shaped_as("direction"), finite),
    W_U=(axes(2), as_long_as("direction"), finite),
)
def logit_effect(
    direction: Float[Tensor, " d_model"],
    norm_weight: Float[Tensor, " d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> Float[Tensor, " d_vocab"]:
    """What a direction of length 1 adds to each token's logit, minus the mean over tokens.

    On the direct way alone: blocks between the layer and the end are left out, and so is the final
    norm's division. So only compare tokens with each other.

    Args:
        direction: of any length; it is made length 1 first.
        norm_weight: the final norm's weight.
    """
    effect = (direction / direction.norm() * norm_weight) @ W_U
    return effect - effect.mean()


def _others_than_itself(n: int, given: Mapping) -> str | None:
    others = len(given["W_dec"]) - 1
    return None if n <= others else f"is {n}, and there are {others} others: ask for fewer"


@guarded(
    W_dec=(axes(2), finite, no_zeros),
    latent=index_of("W_dec"),
    n=(count(), _others_than_itself),
)
def nearest_latents(
    W_dec: Float[Tensor, "d_sae d_in"], latent: int, n: int
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
    """The latents whose directions lie nearest to one latent's, without itself: cosine, number."""
    unit = F.normalize(W_dec, dim=-1)
    cosine = unit @ unit[latent]
    cosine[latent] = -torch.inf
    found = cosine.topk(n)
    return found.values, found.indices


@guarded(directions=(axes(2), finite, no_zeros), latents=index_of("directions"))
def nearest_cosines(
    directions: Float[Tensor, "d_sae d_in"], latents: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """The cosine of each of some latents with the one nearest to it."""
    unit = F.normalize(directions)
    cosine = unit[latents] @ unit.T
    cosine[torch.arange(len(latents)), latents] = -torch.inf
    return cosine.amax(1)


# ---- Statistics ---------------------------------------------------------------------------------


class Mean(NamedTuple):
    """A mean, and the ends of its 95% interval."""

    value: float
    low: float
    high: float


def _not_all_nan(values: Tensor, _: Mapping) -> str | None:
    if values.isinf().any():
        return "holds infinity: find out where it comes from first"
    return None if bool((~values.isnan()).any()) else "has no number: each is nan, or there is none"


@guarded(values=(axes(1), _not_all_nan), groups=(plain, as_long_as("values")))
def mean_interval(values: Float[Tensor, " n"], *, groups: Sequence[Hashable] | None = None) -> Mean:
    """The mean of the values that are not nan, with its `utils.stats.bootstrap` interval.

    Args:
        groups: what each value belongs to; whole groups are drawn.
    """
    there = ~values.isnan()
    kept = values[there].double()
    if groups is not None:
        groups = [group for group, inside in zip(groups, there.tolist(), strict=True) if inside]
    return Mean(kept.mean().item(), *bootstrap(kept, groups=groups))


@guarded(
    fit_acts=(axes(2), precise, finite, filled),
    fit_tokens=(as_long_as("fit_acts"), whole),
    acts=(axes(2), precise, finite, filled, as_wide_as("fit_acts")),
    tokens=(as_long_as("acts"), whole),
)
def token_share(
    fit_acts: Float[Tensor, "fit m"],
    fit_tokens: Int[Tensor, " fit"],
    acts: Float[Tensor, "token m"],
    tokens: Int[Tensor, " token"],
) -> Float[Tensor, " m"]:
    """How much of the variance of activations the current token explains, on other texts.

    The prediction is the mean activation at this token in the first texts; at a token that they
    do not have, the mean over all. 1 is a latent that looks at the token alone; a bad guess can
    be worse than the mean, and the share below 0. It is nan for latents that never fire here.
    """
    n_ids = int(max(fit_tokens.max(), tokens.max())) + 1
    counts = torch.bincount(fit_tokens, minlength=n_ids)
    sums = torch.zeros(n_ids, fit_acts.shape[1]).index_add_(0, fit_tokens, fit_acts)
    means = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), fit_acts.mean(0))
    left = (acts - means[tokens]).square().sum(0)
    return 1 - left / (acts - acts.mean(0)).square().sum(0)


# ---- Descriptions -------------------------------------------------------------------------------

DESCRIPTION_KINDS = (
    "this token",
    "the token before",
    "the token after",
    "this token and the one before",
)
PAIR = 1 << 20  # more than there are ids: the key of a pair is (the one before) * PAIR + this one


def neighbour(texts: Corpus, offset: int) -> Int[Tensor, " token"]:
    """The token that stands `offset` further on in the same text, -1 where there is none."""
    moved, same = texts.tokens.roll(-offset), texts.text.roll(-offset) == texts.text
    if offset:
        same[slice(-offset, None) if offset > 0 else slice(0, -offset)] = False
    return torch.where(same, moved, -1)


def _known_kind(kind: str, _: Mapping) -> str | None:
    known = ", ".join(map(repr, DESCRIPTION_KINDS))
    return None if kind in DESCRIPTION_KINDS else f"is {kind!r}; choose from {known}"


def _known_kinds(kinds: Sequence[str], _: Mapping) -> str | None:
    return next((wrong for kind in kinds if (wrong := _known_kind(kind, {}))), None)


def _not_too_many(texts: Corpus, _: Mapping) -> str | None:
    return None if int(texts.tokens.max()) < PAIR else f"has ids from {PAIR:,} on, too many for it"


@guarded(texts=_not_too_many, kind=_known_kind)
def keys(texts: Corpus, kind: str) -> Int[Tensor, " token"]:
    """What a kind of description looks at: an id for each token, -1 where there is nothing."""
    if kind != DESCRIPTION_KINDS[3]:
        return neighbour(texts, dict(zip(DESCRIPTION_KINDS, (0, -1, 1), strict=False))[kind])
    before = neighbour(texts, -1)
    return torch.where(before >= 0, before * PAIR + texts.tokens, -1)


@guarded(fires=(mask, as_long_as("key")), key=axes(1))
def key_gains(fires: Bool[Tensor, "..."], key: Int[Tensor, " token"]) -> Float[Tensor, "..."]:
    """What "active where the key is this id" has in balanced accuracy above chance, for each id.

    That is half of (share of the active tokens that have this key, minus share of the others that
    have it). The gains of several ids add up.

    Args:
        fires: [token], where the latent is active: somewhere, and not everywhere; or [token, m].
        key: an id for each token, such as the token before; -1 where there is none.

    Returns:
        A row for each id up to the highest.
    """
    weight = torch.where(fires, 0.5 / fires.sum(0), -0.5 / (~fires).sum(0))
    empty = torch.zeros(int(key.max()) + 1, *fires.shape[1:])
    return empty.index_add_(0, key[key >= 0], weight[key >= 0])


class Description(NamedTuple):
    """Says: the latent is active where `kind` is one of `ids`.

    Attributes:
        kind: one of `DESCRIPTION_KINDS`.
        ids: token ids, or `keys` of pairs; the most useful first.
    """

    kind: str
    ids: Int[Tensor, " n"]

    def says(self, key: Int[Tensor, " token"]) -> Bool[Tensor, " token"]:
        """Where the description expects the latent to be active, from the `keys` of its kind."""
        return torch.isin(key, self.ids)

    def words(self, vocabulary: Sequence[str]) -> list[str]:
        """The tokens it names."""
        if self.kind != DESCRIPTION_KINDS[3]:
            return [vocabulary[i] for i in self.ids.tolist()]
        return [vocabulary[i // PAIR] + vocabulary[i % PAIR] for i in self.ids.tolist()]


def _in_both_halves(texts: Corpus, _: Mapping) -> str | None:
    if len((texts.text % 2).unique()) == 2:
        return None
    return "is one text, or every second: half of them name ids for the others"


@guarded(
    fires=(axes(2), mask, of_texts()),
    texts=_in_both_halves,
    n_ids=count(),
    kinds=(filled, _known_kinds),
)
def describe(
    fires: Bool[Tensor, "token m"],
    texts: Corpus,
    *,
    n_ids: int = 10,
    kinds: Sequence[str] = DESCRIPTION_KINDS,
) -> list[Description]:
    """A short description of where each latent is active, from statistics of tokens alone.

    For each kind the ids of largest gain, `n_ids` at most. The kind is the one that does best when
    half of the texts name ids for the other half, both ways; then all texts name the ids. (On the
    texts that named them, pairs of tokens always look best: most come once.)
    """
    half = texts.text % 2 == 0
    best = torch.full((fires.shape[1],), -torch.inf)
    made: list[Description] = [Description(kinds[0], torch.empty(0).long())] * len(best)
    for kind in kinds:
        ids, place = keys(texts, kind).unique(return_inverse=True)
        place = place - int(ids[0] < 0)
        ids = ids[ids >= 0]
        parts = []
        for part in (half, ~half):
            gains = key_gains(fires[part], place[part]).nan_to_num()
            parts.append(F.pad(gains, (0, 0, 0, len(ids) - len(gains))))
        merit = torch.zeros(len(best))
        for own, other in (parts, parts[::-1]):
            named = own.topk(min(n_ids, len(ids)), dim=0)
            merit += torch.where(named.values > 0, other.gather(0, named.indices), 0).sum(0)
        named = key_gains(fires, place).topk(min(n_ids, len(ids)), dim=0)
        for i in (merit > best).nonzero()[:, 0].tolist():
            kept = named.indices[named.values[:, i] > 0, i]
            made[i] = Description(kind, ids[kept])
        best = torch.maximum(best, merit)
    return made


@guarded(said=mask, fires=(mask, as_long_as("said")))
def balanced_accuracy(said: Bool[Tensor, " token"], fires: Bool[Tensor, " token"]) -> float:
    """Mean of two shares: of the active tokens that were named, of the others that were not.

    0.5 is chance, for a latent however rare. nan where the latent is active nowhere or everywhere.
    (scikit-learn's takes 15 times as long, too long for some thousand latents, and leaves out the
    share that is nan.)
    """
    return (said[fires].float().mean() + (~said[~fires]).float().mean()).item() / 2


class Scores(NamedTuple):
    """Descriptions of some latents, and how well they say where the latents are active elsewhere.

    Attributes:
        descriptions: one for each latent.
        detection: [m], `balanced_accuracy` of each on the other texts; nan for a silent latent.
        shuffled: [m], the same when each latent gets its neighbour's description; nan if there is
            one latent alone.
        strong: [m], the share of the strongest quarter of its active tokens that is named; nan for
            a latent with fewer than 8.
        weak: [m], of the weakest quarter.
        named: [m], of all tokens.
    """

    descriptions: list[Description]
    detection: Float[Tensor, " m"]
    shuffled: Float[Tensor, " m"]
    strong: Float[Tensor, " m"]
    weak: Float[Tensor, " m"]
    named: Float[Tensor, " m"]


@guarded(
    fit_acts=(axes(2), finite, of_texts("fit_texts")),
    acts=(axes(2), finite, of_texts(), as_wide_as("fit_acts")),
    n_ids=count(),
    kinds=(filled, _known_kinds),
)
def score_latents(
    fit_acts: Float[Tensor, "fit m"],
    fit_texts: Corpus,
    acts: Float[Tensor, "token m"],
    texts: Corpus,
    *,
    n_ids: int = 10,
    kinds: Sequence[str] = DESCRIPTION_KINDS,
) -> Scores:
    """Describe latents on some texts, and test the descriptions on others."""
    made = describe(fit_acts > 0, fit_texts, n_ids=n_ids, kinds=kinds)
    key = {kind: keys(texts, kind) for kind in kinds}
    said = [description.says(key[description.kind]) for description in made]
    fires = acts.T > 0
    right, wrong = (
        torch.tensor([balanced_accuracy(a, b) for a, b in zip(order, fires, strict=True)])
        for order in (said, [*said[1:], said[0]])
    )
    wrong = wrong if len(made) > 1 else torch.full((1,), torch.nan)
    quarters = torch.full((2, len(made)), torch.nan)
    for i, (each, named) in enumerate(zip(acts.T, said, strict=True)):
        places = each.nonzero()[:, 0]
        if len(places) >= 8:
            order = named[places[each[places].argsort()]].float().tensor_split(4)
            quarters[:, i] = torch.stack([order[3].mean(), order[0].mean()])
    share = torch.tensor([each.float().mean() for each in said])
    return Scores(made, right, wrong, *quarters, share)


def _of_the_same_latents(other: Activity, given: Mapping) -> str | None:
    one, two = given["active"].d_sae, other.d_sae
    return None if one == two else f"is of {two} latents, and `active` of {one}"


@guarded(other=_of_the_same_latents, n=count())
def drawn(
    active: Activity,
    other: Activity,
    n: int,
    *,
    least: tuple[int, int] = (20, 10),
    generator: torch.Generator | None = None,
) -> Int[Tensor, " n"]:
    """Latents drawn at random from those active at enough tokens of two piles.

    Args:
        n: how many; all there are, if they are fewer.
        least: how many tokens are enough, in each pile.
        generator: of the draw; without one, it is the same in each call.
    """
    generator = generator or torch.Generator().manual_seed(0)
    counts = [each.density * len(each.index) for each in (active, other)]
    pool = ((counts[0] >= least[0]) & (counts[1] >= least[1])).nonzero()[:, 0]
    if not len(pool):
        raise ValueError(f"No latent is active at {least} tokens of the two: ask for fewer.")
    return pool[torch.randperm(len(pool), generator=generator)[:n]]


@guarded(
    fit=(axes(2), precise, finite, of_texts("fit_texts")),
    x=(axes(2), precise, finite, of_texts(), as_wide_as("fit")),
)
def explained_by_token(
    fit: Float[Tensor, "fit d"], fit_texts: Corpus, x: Float[Tensor, "token d"], texts: Corpus
) -> float:
    """How much of the variance of vectors the mean vector of their token, elsewhere, explains.

    Over the tokens whose id comes in `fit_texts`.
    """
    ids, group = torch.cat([fit_texts.tokens, texts.tokens]).unique(return_inverse=True)
    fit_group, group = group.split([len(fit), len(x)])
    count = torch.bincount(fit_group, minlength=len(ids))
    means = torch.zeros(len(ids), fit.shape[1]).index_add_(0, fit_group, fit)
    means = means / count.clamp(min=1)[:, None]
    known = count[group] > 0
    if not known.any():
        raise ValueError("No token of `texts` comes in `fit_texts`: there is nothing to predict.")
    return r_squared(means[group[known]], x[known])


def halves(texts: Corpus) -> tuple[tuple[Tensor, Corpus], tuple[Tensor, Corpus]]:
    """Every second token, and the others, each with the number of its text in place of its id.

    With these, `token_share` and `explained_by_token` say what the *text* explains.
    """
    first = torch.arange(len(texts.tokens)) % 2 == 0
    return tuple((part, Corpus(texts.text[part], texts.text[part])) for part in (first, ~first))


@guarded(x=(axes(2), precise, finite, of_texts()))
def explained_by_text(x: Float[Tensor, "token d"], texts: Corpus) -> float:
    """How much of the variance of vectors the mean vector of their text explains.

    The mean of every second token of a text is tried on its other tokens.
    """
    (one, one_texts), (two, two_texts) = halves(texts)
    return explained_by_token(x[one], one_texts, x[two], two_texts)


# ---- Controls -----------------------------------------------------------------------------------


def _several_rows(x: Tensor, _: Mapping) -> str | None:
    return None if len(x) > 1 else f"has {len(x)} rows: a covariance needs two or more"


@guarded(x=(axes(2), precise, finite, _several_rows), n=count())
def shaped_directions(
    x: Float[Tensor, "token d"], n: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "n d"]:
    """Random directions with the covariance of some vectors, so that they lie where these lie.

    Args:
        generator: of the directions; without one, they are the same in each call.
    """
    generator = generator or torch.Generator().manual_seed(0)
    drawn = torch.randn(n, x.shape[1], generator=generator)
    cov = x.T.cov()
    return F.normalize(
        drawn @ torch.linalg.cholesky(cov + 1e-6 * cov.trace() * torch.eye(len(cov))).T
    )


DRAWS = "all alike", "shaped", "one vector"


def _known_draw(draw: str, given: Mapping) -> str | None:
    if draw not in DRAWS:
        return f"is {draw!r}; choose from {', '.join(map(repr, DRAWS))}"
    m, n = len(given["density"]), len(given["fit"])
    lack = draw == DRAWS[2] and m > n
    return f"needs a vector for each direction: there are {n} for {m}" if lack else None


@guarded(
    fit=(axes(2), precise, finite, _several_rows),
    other=(axes(2), precise, finite, as_wide_as("fit")),
    density=(axes(1), filled, between(0, 1)),
    draw=_known_draw,
)
def matched_directions(
    fit: Float[Tensor, "fit d_in"],
    other: Float[Tensor, "token d_in"],
    density: Float[Tensor, " m"],
    *,
    draw: str = "all alike",
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "fit m"], Float[Tensor, "token m"]]:
    """Random directions as latents: active above a threshold that gives each a wanted density.

    Args:
        fit: vectors whose quantiles set the thresholds.
        other: vectors of other texts.
        density: of each direction on `fit`.
        draw: "all alike", from all directions; "shaped", with the covariance of `fit`; or
            "one vector", those that point from the mean of `fit` to one of its vectors.
        generator: of the directions; without one, they are the same in each call.

    Returns:
        The activations (how far above the threshold) on both.
    """
    generator = generator or torch.Generator().manual_seed(0)
    centred = fit - fit.mean(0)
    m = len(density)
    if draw == "all alike":
        drawn = torch.randn(m, fit.shape[1], generator=generator)
    elif draw == "shaped":
        drawn = shaped_directions(fit, m, generator=generator)
    else:
        drawn = centred[torch.randperm(len(fit), generator=generator)[:m]]
    drawn = F.normalize(drawn)
    along, along_other = centred @ drawn.T, (other - fit.mean(0)) @ drawn.T
    ranked = along.sort(dim=0, descending=True).values
    at = (density * len(fit)).round().long().clamp(max=len(fit) - 1)
    threshold = ranked.gather(0, at[None])
    return (along - threshold).relu(), (along_other - threshold).relu()


def _enough_vectors(of_vectors: bool, given: Mapping) -> str | None:
    n, wanted = len(given["x"]), given["like"].d_sae
    if not of_vectors or n >= wanted:
        return None
    return f"needs a vector for each of {wanted} latents: `x` has {n}"


@guarded(x=(axes(2), precise, filled, finite, as_wide_as("like")), of_vectors=_enough_vectors)
def untrained_dictionary(
    like: TopKSAE,
    x: Float[Tensor, "token d_in"],
    *,
    of_vectors: bool = False,
    generator: torch.Generator | None = None,
) -> TopKSAE:
    """Random directions that compete, as a TopK dictionary of the same size before training.

    Args:
        x: sets what is taken off before encoding, its mean.
        of_vectors: the directions lead from that mean to some of the vectors (at least `d_sae`).
        generator: of the directions; without one, they are the same in each call.
    """
    generator = generator or torch.Generator().manual_seed(0)
    of_sae = None if of_vectors else generator
    found = TopKSAE(like.d_in, like.d_sae, k=like.k, generator=of_sae)
    found.b_dec.data.copy_(x.mean(0))
    if of_vectors:
        order = torch.randperm(len(x), generator=generator)
        drawn = F.normalize(x[order[: like.d_sae]] - x.mean(0))
        found.W_dec.data.copy_(drawn)
        found.W_enc.data.copy_(drawn.T)
    return found.requires_grad_(False)


# ---- The dashboard ------------------------------------------------------------------------------


class Dashboard(NamedTuple):
    """All that a dashboard needs of one dictionary and one model.

    Attributes:
        directions: [d_sae, d_model], the decoder's rows, each of length 1.
        active: activity on `reading`, where examples and descriptions come from.
        held_active: activity on `held_out`, where descriptions are tested.
        norm_weight: [d_model], of the final norm.
        W_U: [d_model, d_vocab].
        vocabulary: the text of each token id.
    """

    directions: Float[Tensor, "d_sae d_model"]
    active: Activity
    held_active: Activity
    reading: Corpus
    held_out: Corpus
    norm_weight: Float[Tensor, " d_model"]
    W_U: Float[Tensor, "d_model d_vocab"]
    vocabulary: Sequence[str]

    def card(
        self, latent: int, n_examples: int = 6
    ) -> tuple[str, list[tuple[str, str]], list[tuple[list[str], list[float], int]]]:
        """Title, facts and examples of one latent, as `figures.feature_card` draws them."""
        acts, held = (each.of([latent]) for each in (self.active, self.held_active))
        effect = logit_effect(self.directions[latent], self.norm_weight, self.W_U)
        up, down = ([self.vocabulary[i] for i in (s * effect).topk(6).indices] for s in (1, -1))
        cosine, near = nearest_latents(self.directions, latent, 4)
        examples = []
        for position in top_examples(acts[:, 0], self.reading.text, n_examples).tolist():
            around, here = self.reading.around(position)
            tokens = [self.vocabulary[i] for i in self.reading.tokens[around].tolist()]
            examples.append((tokens, acts[around, 0].tolist(), here))
        facts = [
            ("active at", f"{(acts > 0).float().mean():.2%} of tokens"),
            ("logits up", " ".join(map(repr, up))),
            ("logits down", " ".join(map(repr, down))),
            (
                "nearest",
                ", ".join(f"{j} ({c:.2f})" for c, j in zip(cosine, near.tolist(), strict=True)),
            ),
        ]
        if len(examples):
            low, middle, high = acts[acts > 0].quantile(torch.tensor([0.1, 0.5, 1.0])).tolist()
            facts[0] = (
                "active at",
                f"{facts[0][1]}; a tenth of these below {low:.1f}, "
                f"half below {middle:.1f}, highest {high:.1f}",
            )
            found = score_latents(acts, self.reading, held, self.held_out)
            description = found.descriptions[0]
            words = " ".join(map(repr, description.words(self.vocabulary)))
            facts.append(("description", f"{description.kind} is one of {words}"))
            facts.append(("its held-out score", f"{found.detection[0]:.2f}"))
        return f"latent {latent}", facts, examples

    def scores(self, latents: Int[Tensor, " m"]) -> dict[str, Float[Tensor, " m"]]:
        """Every score of some latents; nan where there is none.

        The last two: how far the most promoted token stands above the mean, and how much more the
        latent pushes the tokens that do follow it than the next latent in the list would; both in
        standard deviations over the vocabulary.
        """
        acts, held = self.active.of(latents), self.held_active.of(latents)
        found = score_latents(acts, self.reading, held, self.held_out)
        (one, one_texts), (two, two_texts) = halves(self.held_out)
        effect = (F.normalize(self.directions[latents]) * self.norm_weight) @ self.W_U
        effect = (effect - effect.mean(1, keepdim=True)) / effect.std(1, keepdim=True)
        following = neighbour(self.held_out, 1)
        fires = (held > 0) & (following >= 0)[:, None]
        pushed = [
            torch.stack([row[following[on]].mean() for row, on in zip(rows, fires.T, strict=True)])
            for rows in (effect, effect.roll(1, 0))
        ]
        return {
            "active at, % of tokens": 100 * self.active.density[latents],
            "the token's share of variance": token_share(
                acts, self.reading.tokens, held, self.held_out.tokens
            ),
            "the text's share of variance": token_share(
                held[one], one_texts.tokens, held[two], two_texts.tokens
            ),
            "description: held-out score": found.detection,
            "names of its strongest quarter": found.strong,
            "names of its weakest quarter": found.weak,
            "cosine to the nearest latent": nearest_cosines(self.directions, latents),
            "most promoted token (sd)": effect.amax(1),
            "push on what follows (sd)": pushed[0] - pushed[1],
        }


def _for_each_pile(vectors: Sequence[Tensor], given: Mapping) -> str | None:
    wanted = [len(texts.tokens) for texts in given["piles"]]
    lengths = [len(x) for x in vectors]
    if len(wanted) == 2 and lengths == wanted:
        return None
    return f"have {lengths} rows for piles of {wanted} tokens: give two, with a row for each token"


def _for_each_id(vocabulary: Sequence[str], given: Mapping) -> str | None:
    n = given["model"].cfg.d_vocab
    return None if len(vocabulary) >= n else f"has {len(vocabulary)} texts for {n} token ids"


@guarded(vectors=_for_each_pile, vocabulary=_for_each_id)
def dashboard(
    model,
    sae: TopKSAE,
    vectors: Sequence[Float[Tensor, "token d_model"]],
    piles: Sequence[Corpus],
    vocabulary: Sequence[str],
) -> Dashboard:
    """All that a dashboard needs of a dictionary and its model.

    Args:
        vectors: of the reading pile and of the held-out one; `piles`, their texts.
        vocabulary: the text of each token id.
    """
    found = (activity(sae.encode, each, k=sae.k) for each in vectors)
    weights = (each.detach().float().cpu() for each in (model.ln_final.weight, model.W_U))
    return Dashboard(sae.W_dec.detach(), *found, *piles, *weights, vocabulary)


# ---- Texts as rows ------------------------------------------------------------------------------


def _each_text_has_tokens(texts: Corpus, _: Mapping) -> str | None:
    empty = (torch.bincount(texts.text) == 0).nonzero()[:, 0]
    return f"has no token of text {empty[0]}: leave empty texts out" if len(empty) else None


def _activity_of_texts(found: Activity, given: Mapping) -> str | None:
    return of_texts()(found.index, given)


def _known_how(how: str, _: Mapping) -> str | None:
    return None if how in ("max", "mean") else f"is {how!r}; choose 'max' or 'mean'"


@guarded(found=_activity_of_texts, texts=_each_text_has_tokens, how=_known_how)
def by_text(found: Activity, texts: Corpus, *, how: str = "max") -> Float[Tensor, "text d_sae"]:
    """How active each latent is in each text: at most, or in the mean over its tokens.

    Args:
        how: "max" or "mean".
    """
    count = torch.bincount(texts.text)
    place = (texts.text[:, None] * found.d_sae + found.index).flatten()
    flat = torch.zeros(len(count) * found.d_sae)
    reduce = {"max": "amax", "mean": "sum"}[how]
    flat = flat.scatter_reduce(0, place, found.value.flatten(), reduce)
    rows = flat.view(len(count), found.d_sae)
    return rows / count[:, None] if how == "mean" else rows


@guarded(x=(axes(2), of_texts()), texts=_each_text_has_tokens)
def average(x: Float[Tensor, "token d"], texts: Corpus) -> Float[Tensor, "text d"]:
    """The mean vector of each text."""
    count = torch.bincount(texts.text)
    total = torch.zeros(len(count), x.shape[1]).index_add_(0, texts.text, x)
    return total / count[:, None]


# ---- Copies -------------------------------------------------------------------------------------


def _some_key(key: Tensor, given: Mapping) -> str | None:
    top = len(given["embedding"]) - 1
    if int(key.max()) > top:
        return f"holds {int(key.max())}, and `embedding` ends at {top}"
    return None if int(key.max()) >= 0 else "names nothing: it is -1 everywhere"


@guarded(
    x=(axes(2), filled, finite),
    key=(as_long_as("x"), _some_key),
    other=(axes(2), filled, finite, as_wide_as("x")),
    other_key=as_long_as("other"),
    embedding=(axes(2), finite),
)
def named_by_one_map(
    x: Float[Tensor, "fit d"],
    key: Int[Tensor, " fit"],
    other: Float[Tensor, "token d"],
    other_key: Int[Tensor, " token"],
    embedding: Float[Tensor, "d_vocab d"],
) -> Float[Tensor, " token"]:
    """Where one linear map from vectors to embeddings names the key, on another pile.

    Ridge regression on centred embeddings; the answer is the id of nearest angle, among those of
    the first pile.

    Returns:
        1.0 where it is right, 0.0 where it is wrong; nan where there is no key, or one that the
        first pile does not have.
    """
    embedding = embedding - embedding.mean(0)
    fit, test = key >= 0, (other_key >= 0) & torch.isin(other_key, key)
    seen = x[fit]
    penalty = 0.01 * (seen - seen.mean(0)).square().sum().item() / seen.shape[1]
    guess = ridge(seen, embedding[key[fit]], penalty=penalty)(other[test]).float()
    candidates = key[fit].unique()
    nearest_id = (guess @ F.normalize(embedding[candidates], dim=1).T).argmax(1)
    found = torch.full((len(other),), torch.nan)
    found[test] = (candidates[nearest_id] == other_key[test]).float()
    return found


def _whole_sequences(n: int, given: Mapping) -> str | None:
    total = len(given["active"].index)
    return None if total % n == 0 else f"is {n}, which does not divide {total} tokens"


def _some_sequences(sequences: slice, given: Mapping) -> str | None:
    total = len(given["active"].index) // given["n"]
    return None if range(total)[sequences] else f"takes none of {total} sequences"


@guarded(n=(count(low=2), _whole_sequences), sequences=_some_sequences)
def second_half(active: Activity, n: int, *, sequences: slice) -> Float[Tensor, " d_sae"]:
    """Balanced accuracy of each latent's being active as a sign of a sequence's second half.

    Args:
        active: on sequences of n tokens each, laid end to end.
        sequences: which of them.
    """
    place = torch.arange(len(active.index)).view(-1, n)
    late, early = (
        active.at(torch.isin(place.flatten(), place[sequences, part].flatten())).density
        for part in (slice(n // 2, None), slice(n // 2))
    )
    return 0.5 + (late - early) / 2


class Copying(NamedTuple):
    """The latents that best tell a repeated second half from a new one, the best first.

    Attributes:
        latents: [top], chosen on half of the sequences.
        repeated: [top], balanced accuracy on the others as a sign of the second half, where that
            repeats the first.
        new: [top], where it does not.
    """

    latents: Int[Tensor, " top"]
    repeated: Float[Tensor, " top"]
    new: Float[Tensor, " top"]


@guarded(ids=(filled, whole), n=count(), half=count())
def copying_sequences(
    ids: Int[Tensor, " kind"],
    *,
    n: int = 40,
    half: int = 25,
    generator: torch.Generator | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Random tokens and the same again, as in lesson 1.1; and the same with new second halves.

    Args:
        ids: tokens to draw from.
        n: sequences of each kind.
        half: tokens in half a sequence.
        generator: of the tokens; without one, they are the same in each call.
    """
    generator = generator or torch.Generator().manual_seed(0)
    first, other = ids[torch.randint(len(ids), (2, n, half), generator=generator)]
    return tuple(list(torch.cat([first, second], 1)) for second in (first, other))


def _as_many_tokens(new: Activity, given: Mapping) -> str | None:
    one, two = len(given["repeated"].index), len(new.index)
    return None if one == two else f"is on {two} tokens, and `repeated` on {one}"


def _in_sequences(n: int, given: Mapping) -> str | None:
    total = len(given["repeated"].index)
    return None if total % n == 0 else f"is {n}, and {total} tokens are not so many sequences"


def _latents_enough(top: int, given: Mapping) -> str | None:
    n = given["repeated"].d_sae
    return None if top <= n else f"is {top}, and there are {n} latents"


@guarded(
    new=_as_many_tokens,
    n=(count(low=2), _in_sequences),
    top=(count(), _latents_enough),
)
def copying_latents(repeated: Activity, new: Activity, *, n: int = 40, top: int = 4) -> Copying:
    """Look for latents of "this has been here before".

    Args:
        repeated: on the first of the `copying_sequences`; new: on the second.
        n: how many of each there are. The first half of them chooses.
    """
    length = len(repeated.index) // n
    chosen, tested = (
        [second_half(each, length, sequences=part) for each in (repeated, new)]
        for part in (slice(n // 2), slice(n // 2, None))
    )
    latents = (chosen[0] - chosen[1]).topk(top).indices
    return Copying(latents, tested[0][latents], tested[1][latents])


# ---- Steering -----------------------------------------------------------------------------------


class Rivals(NamedTuple):
    """Two ways to a vector for a concept, from the same contrast pairs.

    Attributes:
        rise: [d_sae], how much the mean activation of each latent rises from the sentences without
            the concept to those with it.
        latent: the one that rises most.
        vectors: "feature", that latent's direction, and "means", the difference of means.
    """

    rise: Float[Tensor, " d_sae"]
    latent: int
    vectors: dict[str, Float[Tensor, " d_model"]]


@guarded(layer=layer_of())
def steering_rivals(model, sae: TopKSAE, concept: str, *, layer: int) -> Rivals:
    """A feature and a mean difference for a concept of `concepts`, from its pairs to fit."""
    yes, no = zip(*concepts.pairs(concept, part="fit"), strict=True)
    tokens = [model.to_tokens(text, prepend_bos=False)[0].cpu() for text in yes + no]
    texts, stream = corpus(tokens), harvest(model, tokens, layer=layer)
    found = by_text(activity(sae.encode, stream, k=sae.k), texts, how="mean")
    rise = (found[: len(yes)] - found[len(yes) :]).mean(0)
    means = contrast.direction(*average(stream, texts).chunk(2), "CAA")
    latent = int(rise.argmax())
    return Rivals(rise, latent, {"feature": sae.W_dec[latent].detach(), "means": means})


class Steered(NamedTuple):
    """What a vector does to the contrast pairs of a concept, as in lesson 3.1.

    Attributes:
        change: [pair], in nats a token, towards the sentence with the concept.
        cost: the factor by which one steered token raises the perplexity.
    """

    change: Float[Tensor, " pair"]
    cost: float


def _point_somewhere(vectors: Mapping, _: Mapping) -> str | None:
    return next((wrong for each in vectors.values() if (wrong := no_zeros(each, {}))), None)


@guarded(
    vectors=(filled, _point_somewhere),
    dose=number(low=0, over=True),
    layer=layer_of(),
)
def steered_pairs(
    model,
    vectors: Mapping[tuple[str, str], Float[Tensor, " d_model"]],
    *,
    dose: float,
    layer: int,
) -> dict[tuple[str, str], Steered]:
    """Steer with vectors on the test pairs of their concepts.

    Args:
        vectors: (concept of `data.concepts.task`, name) -> vector.
        dose: its length, in units of the typical length of the stream.
    """
    norm = typical_norm(model, concepts.openings(part="choose"), layer=layer)
    test_pairs = {c: concepts.pairs(c, part="test") for c, _ in vectors}
    plain = {c: contrast.read_pairs(model, each) for c, each in test_pairs.items()}
    found = {}
    for (c, name), vector in vectors.items():
        with steer(model, at_dose(vector, dose, norm=norm), layer=layer):
            steered = contrast.read_pairs(model, test_pairs[c])
        change = (steered.preference - plain[c].preference).cpu()
        found[c, name] = Steered(change, contrast.one_token_cost(steered, plain[c]))
    return found
