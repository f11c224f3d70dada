"""Families of tokens in a dictionary: parents, their holes, and who stands there instead.

Absorption: Chanin et al., 2024 (arXiv 2409.14507).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.features.dashboards import Activity, Corpus
from utils.features.guards import mask, some_true, whole
from utils.features.shift import whitened
from utils.guards import as_long_as, count, filled, guarded

FAMILIES = {
    "pronouns": "i you he she it we they",
    "possessives": "my your his her its our their",
    "forms of be": "am is are was were be been being",
    "articles": "a an the",
    "prepositions": "in on at by from with of to for over under into through between among across",
    "conjunctions": "and or but so because although while if when",
    "modal verbs": "can could will would may might must should shall",
    "question words": "who what which where when why how",
    "punctuation": ". , ; : ! ?",
    "digits": "0 1 2 3 4 5 6 7 8 9",
}


@guarded(said=mask, true=(mask, as_long_as("said")))
def f1(said: Bool[Tensor, " token"], true: Bool[Tensor, " token"]) -> float:
    """The harmonic mean of precision and recall; nan where nothing is said and nothing true."""
    from sklearn.metrics import f1_score

    return float(f1_score(true.numpy(), said.numpy(), zero_division=float("nan")))


def _at_each_token(inside: Tensor, given: Mapping) -> str | None:
    wanted = len(given["active"].index)
    return None if len(inside) == wanted else f"has {len(inside)} entries for {wanted} tokens"


@guarded(inside=(mask, _at_each_token, some_true))
def best_latent(
    active: Activity,
    inside: Bool[Tensor, " token"],
    *,
    density: Float[Tensor, " d_sae"] | None = None,
) -> int:
    """The latent whose being active has the best F1 for being inside.

    Args:
        density: `active.density`, if it is known already.
    """
    density = active.density if density is None else density
    own = active.at(inside)
    counts = torch.bincount(own.index[own.value > 0], minlength=active.d_sae)
    return int((2 * counts / (density * len(inside) + inside.sum())).argmax())


class Takeover(NamedTuple):
    """The likeliest to have taken a token from the family's parent, where the parent is silent.

    Attributes:
        token: the id of the hole.
        latent: of those that are active at nine tenths of its places and, in the family, beside the
            parent in a quarter of the cases at most, the one that adds most to the probe's score
            there; where there is none, of all that are active there.
        recall: the share of the token's places where this latent is active.
        beside: of its activity in the family, the share beside the parent.
        adds: what it adds there, in units of what the parent adds where that is active.
        own: of all its activity, the share at this token.
    """

    token: int
    latent: int
    recall: float
    beside: float
    adds: float
    own: float

    @property
    def absorbs(self) -> bool:
        """It is there instead of the parent, and adds at least half as much."""
        return self.recall >= 0.9 and self.beside <= 0.25 and self.adds >= 0.5


class Family(NamedTuple):
    """How a dictionary holds a family of tokens, on a pile that nothing was chosen on.

    Attributes:
        parent: the latent that was asked.
        is_parent: on the first pile its F1 was 0.7 or more, and it was active at half the places
            or more of at least half of the family's tokens.
        f1: of the parent; probe_f1: of a probe for the family.
        tokens: [kind], ids that are asked: `asked` on the other pile.
        recall: [kind], of the parent.
        chance: [20 kind], the same with its activity shuffled among the family's places.
        takeovers: one for each hole, a token with a recall below 0.1.
    """

    parent: int
    is_parent: bool
    f1: float
    probe_f1: float
    tokens: Int[Tensor, " kind"]
    recall: Float[Tensor, " kind"]
    chance: Float[Tensor, "draw kind"]
    takeovers: list[Takeover]


Pile = tuple[Float[Tensor, "token d"], Activity, Corpus]


@guarded(tokens=whole, least=count())
def common(tokens: Int[Tensor, " token"], *, least: int = 5) -> Int[Tensor, " kind"]:
    """The ids that come at least so often."""
    ids, counts = tokens.unique(return_counts=True)
    return ids[counts >= least]


def asked(texts: Corpus, inside: Bool[Tensor, " token"]) -> Int[Tensor, " kind"]:
    """The ids that come 5 times inside or more, in 3 texts or more."""
    ids = common(texts.tokens[inside])
    pairs = torch.stack([texts.tokens[inside], texts.text[inside]]).unique(dim=1)
    return ids[torch.isin(ids, common(pairs[0], least=3))]


def _in_both_piles(member: Tensor, given: Mapping) -> str | None:
    for pile in ("fit", "other"):
        tokens = given[pile][2].tokens
        if int(tokens.max()) >= len(member):
            return f"has {len(member)} entries, and `{pile}` ids up to {int(tokens.max())}"
        if len(member[tokens].unique()) < 2:
            return f"is one thing for all of `{pile}`: give texts with the family and others"
    return None


def _is_a_latent(parent: int, given: Mapping) -> str | None:
    n = (given["active"] if "active" in given else given["fit"][1]).d_sae
    return None if 0 <= parent < n else f"is {parent}: latents are numbered from 0 to {n - 1}"


@guarded(member=(mask, _in_both_piles), parent=_is_a_latent)
def family(
    member: Bool[Tensor, " d_vocab"],
    fit: Pile,
    other: Pile,
    W_dec: Float[Tensor, "d_sae d"],
    *,
    parent: int | None = None,
) -> Family:
    """Find a family's parent on one pile (vectors, activity, texts), and look at it on another.

    Args:
        member: which token ids belong to the family.
        parent: ask this latent instead of the one with the best F1.

    Source: after Chanin et al., 2024 (arXiv 2409.14507), with a probe on the residual stream.
    """
    x, active, texts = fit
    inside = member[texts.tokens]
    parent = best_latent(active, inside) if parent is None else parent
    fires = active.of([parent])[:, 0] > 0
    covered = recall_by_token(fires, texts.tokens, asked(texts, inside)) >= 0.5
    is_parent = f1(fires, inside) >= 0.7 and covered.float().mean().item() >= 0.5
    probe = whitened(x, inside.long())
    apart = (x[inside].mean(0) - x[~inside].mean(0)) @ probe.direction
    x, active, texts = other
    inside = member[texts.tokens]
    fires = active.of([parent])[:, 0] > 0
    tokens = asked(texts, inside)
    generator, chance = torch.Generator().manual_seed(0), []
    for _ in range(20):
        shuffled, own = fires.clone(), fires[inside]
        shuffled[inside] = own[torch.randperm(len(own), generator=generator)]
        chance.append(recall_by_token(shuffled, texts.tokens, tokens))
    part = active.value * (W_dec @ probe.direction / apart)[active.index]
    is_parent_slot = active.index == parent
    own = (part * is_parent_slot).sum(1)[inside & fires].mean()
    recall = recall_by_token(fires, texts.tokens, tokens)
    holes = tokens[recall < 0.1]
    at_parent, in_family, anywhere = (
        active.at(places).density * places.sum()
        for places in (inside & fires, inside, torch.ones_like(inside))
    )
    takeovers = []
    for token in holes.tolist():
        here = texts.tokens == token
        there = active.at(here).density
        adds = torch.zeros(active.d_sae).index_add_(
            0, active.index[here].flatten(), part[here].flatten()
        )
        adds = adds / here.sum() / own
        beside, share = at_parent / in_family.clamp(min=1), there * here.sum() / anywhere
        able = (there >= 0.9) & (beside <= 0.25)
        latent = int(adds.where(able if able.any() else there > 0, -torch.inf).argmax())
        numbers = (each[latent].item() for each in (there, beside, adds, share))
        takeovers.append(Takeover(token, latent, *numbers))
    return Family(
        parent,
        is_parent,
        f1(fires, inside),
        f1(probe.scores(x) > 0, inside),
        tokens,
        recall,
        torch.stack(chance),
        takeovers,
    )


@guarded(parent=_is_a_latent, positions=(mask, _at_each_token))
def absorb(
    active: Activity,
    parent: int,
    positions: Bool[Tensor, " token"],
    W_dec: Float[Tensor, "d_sae d"],
) -> tuple[Activity, Float[Tensor, "d_sae+1 d"]]:
    """Absorption planted: at some tokens a new latent, with the parent's direction, replaces it.

    Args:
        positions: True at these tokens.

    Returns:
        The activity with one more latent, the last; and the directions with its own.
    """
    moved = (active.index == parent) & positions[:, None]
    index = torch.where(moved, active.d_sae, active.index)
    return Activity(index, active.value, active.d_sae + 1), torch.cat([W_dec, W_dec[[parent]]])


@guarded(n=count())
def tested_rule(
    member: Bool[Tensor, " d_vocab"],
    fit: Pile,
    other: Pile,
    W_dec: Float[Tensor, "d_sae d"],
    found: Family,
    *,
    n: int = 2,
) -> tuple[list[tuple[bool, bool]], Family]:
    """Two tests of the rule for absorption, on a family that `family` looked at.

    Planted: at each of n tokens where a true parent is active nearly always, `absorb` moves it to a
    new latent. Fake: the latent of the family's commonest token is asked as if it were the parent.

    Returns:
        For each planted absorption whether the rule called it one, and whether it named the new
        latent; and what was found with the fake parent.
    """
    hits = []
    full = found.tokens[found.recall > 0.9][:n].tolist() if found.is_parent else []
    for token in full:
        piles = []
        for x, active, texts in (fit, other):
            moved, directions = absorb(active, found.parent, texts.tokens == token, W_dec)
            piles.append((x, moved, texts))
        again = family(member, *piles, directions, parent=found.parent)
        own = [each for each in again.takeovers if each.token == token and each.absorbs]
        hits.append((bool(own), any(each.latent == len(W_dec) for each in own)))
    commonest = fit[2].tokens == fit[2].tokens[member[fit[2].tokens]].mode().values
    fake = family(member, fit, other, W_dec, parent=best_latent(fit[1], commonest))
    return hits, fake


class Study(NamedTuple):
    """The families of a dictionary, chosen on one pile and looked at on another.

    Attributes:
        families: name -> what was found, with the best latent as the parent.
        fakes: name -> the same with a fake parent, as `tested_rule` gives it.
        planted: for each planted absorption, whether it was called one, and its latent named.
    """

    families: dict[str, Family]
    fakes: dict[str, Family]
    planted: list[tuple[bool, bool]]

    @property
    def real(self) -> dict[str, Family]:
        """Those that have a parent."""
        return {name: each for name, each in self.families.items() if each.is_parent}

    @property
    def holes(self) -> list[Takeover]:
        """Of all true parents."""
        return [hole for each in self.real.values() for hole in each.takeovers]

    def rows(self, vocabulary: Sequence[str]) -> list[tuple[object, ...]]:
        """For a table of the families with a parent; a star marks a hole that passes the rule.

        Family, parent, its F1, the probe's, tokens asked, and the holes: with the latent that
        stands there and the share of its activity at this token.
        """

        def said(hole: Takeover) -> str:
            star = "*" if hole.absorbs else ""
            return f"{vocabulary[hole.token]!r}{star} ({hole.latent}: {hole.own:.0%})"

        return [
            (
                name,
                each.parent,
                f"{each.f1:.2f}",
                f"{each.probe_f1:.2f}",
                len(each.tokens),
                ", ".join(map(said, each.takeovers)),
            )
            for name, each in self.real.items()
        ]

    @property
    def fake_holes(self) -> list[Takeover]:
        """Of all fake parents."""
        return [hole for each in self.fakes.values() for hole in each.takeovers]


def study(
    vocabulary: Sequence[str], fit: Pile, other: Pile, W_dec: Float[Tensor, "d_sae d"]
) -> Study:
    """Look at all `FAMILIES`, and test the rule for absorption on each.

    A token in small letters without a space before it is no member: most are pieces of longer
    words.
    """
    found = Study({}, {}, [])
    for name, words in FAMILIES.items():
        member = torch.tensor(
            [
                each.strip().lower() in words.split() and not each[:1].islower()
                for each in vocabulary
            ]
        )
        found.families[name] = family(member, fit, other, W_dec)
        hits, found.fakes[name] = tested_rule(member, fit, other, W_dec, found.families[name])
        found.planted.extend(hits)
    return found


@guarded(key=_at_each_token, least=count())
def own_latents(
    active: Activity,
    key: Int[Tensor, " fit"],
    other: Activity,
    other_key: Int[Tensor, " token"],
    *,
    least: int = 20,
) -> Float[Tensor, " key"]:
    """F1, on another pile, of the best latent for each key that comes often in the first.

    Args:
        key: an id for each token, such as that of the token before; -1 where there is none.
    """
    found, density = [], active.density
    for token in common(key[key >= 0], least=least).tolist():
        latent = best_latent(active, key == token, density=density)
        found.append(f1(other.of([latent])[:, 0] > 0, other_key == token))
    return torch.tensor(found)


@guarded(fires=mask, tokens=(filled, whole, as_long_as("fires")), wanted=(filled, whole))
def recall_by_token(
    fires: Bool[Tensor, " token"], tokens: Int[Tensor, " token"], wanted: Int[Tensor, " kind"]
) -> Float[Tensor, " kind"]:
    """The share of each token's places at which a latent is active; nan for one not there.

    Args:
        wanted: ids.
    """
    n_ids = int(max(tokens.max(), wanted.max())) + 1
    there = torch.bincount(tokens, minlength=n_ids)
    active = torch.bincount(tokens[fires], minlength=n_ids)
    return (active / there)[wanted]
