"""Pointers: what a model holds when it looks up a bound word, a name, a place or the word itself.

A place is the number of a pair in a story, from 0. Hook names such as `blocks.2.hook_resid_pre` say
where in the model something is read or changed.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.binding import task
from utils.cases.clinic import find_subspace
from utils.guards import as_long_as, axes, count, evaluating, filled, guarded, shaped_as

ACCOUNTS = ("name", "place", "drink")

# ---- Counterfactual pairs -----------------------------------------------------------------------


class StoryPairs(NamedTuple):
    """A story and its counterfactual, row by row, and what the exchange of a variable would give.

    Attributes:
        base, source: tokens; a question about a name stands at the end.
        answers: the model's answer to `base` if the state that is moved from the source says which
            name is meant, at which place it stands, or which drink it has.
        name_at, drink_at: positions in `base`, which `source` shares.
    """

    base: Int[Tensor, "story pos"]
    source: Int[Tensor, "story pos"]
    answers: Int[Tensor, "account=3 story"]
    name_at: Int[Tensor, "story pair"]
    drink_at: Int[Tensor, "story pair"]


@guarded(names=(axes(2), filled), drinks=shaped_as("names"), fresh=shaped_as("names"))
@guarded(asked=(axes(1), as_long_as("names")), other=(axes(1), as_long_as("names")))
def exchange_places(
    names: Int[Tensor, "story pair"],
    drinks: Int[Tensor, "story pair"],
    fresh: Int[Tensor, "story pair"],
    asked: Int[Tensor, " story"],
    other: Int[Tensor, " story"],
) -> tuple[Int[Tensor, "story pair"], Int[Tensor, "account=3 story"]]:
    """The counterfactual in which two names change places, and what would follow from each account.

    Base: place i has `names[:, i]` and `drinks[:, i]`, and the question is about the name at place
    `asked`. Source: this name and the one at place `other` have changed places, place i has the
    drink `fresh[:, i]`, and the question is about the same name.

    Then a state is moved from the source to the base. If it says which *name* is meant, the answer
    is that name's drink in the base. If it says at which *place* the name stands (in the source),
    the answer is the base's drink there. If it is the source's *drink*, that is the answer.

    Returns:
        The source's names, and the answers by name, by place and by drink, in this order.

    Source: Prakash et al. (arXiv 2505.14685); Gur-Arieh et al. (arXiv 2510.06182).
    """
    rows = torch.arange(len(names))
    swapped = names.clone()
    swapped[rows, asked] = names[rows, other]
    swapped[rows, other] = names[rows, asked]
    answers = torch.stack([drinks[rows, asked], drinks[rows, other], fresh[rows, other]])
    return swapped, answers


@guarded(batch=count(), n=count(low=2), fillers=count(low=0))
def draw_stories(
    batch: int,
    n: int,
    *,
    form: str,
    fillers: int = 3,
    asked: int | None = None,
    generator: torch.Generator,
) -> StoryPairs:
    """Counterfactual pairs of stories with the same fillers at the same positions.

    Args:
        asked: the place of the name in question in the base; drawn if None.
    """
    names, drinks = task.draw_words(batch, n, sets=2, generator=generator)
    drinks, fresh = drinks[:, :n], drinks[:, n:]
    place = torch.randint(n, (batch,), generator=generator)
    place = place if asked is None else torch.full_like(place, asked)
    other = (place + torch.randint(1, n, (batch,), generator=generator)) % n
    swapped, answers = exchange_places(names, drinks, fresh, place, other)
    how = {"form": form, "fillers": fillers}
    seed = int(torch.randint(2**31, (1,), generator=generator))
    base, source = (
        task.write_story(*words, **how, generator=torch.Generator().manual_seed(seed))
        for words in ((names, drinks), (swapped, fresh))
    )
    name = names[torch.arange(batch), place]
    asks = (task.ask(story.tokens, name) for story in (base, source))
    return StoryPairs(*asks, answers, base.name_at, base.drink_at)


# ---- Interchange --------------------------------------------------------------------------------


@guarded(model=evaluating, base=(axes(2), filled), source=as_long_as("base"), hooks=filled)
def interchange(
    model,
    base: Int[Tensor, "story pos"],
    source: Int[Tensor, "story source_pos"],
    hooks: Sequence[str],
    *,
    at: Int[Tensor, "story moved"],
    source_at: Int[Tensor, "story moved"],
) -> Int[Tensor, "hook story"]:
    """What a model answers to `base` when activations of `source` stand in the place of its own.

    For each hook by itself: in row i, the activations at positions `at[i]` of the base become those
    at positions `source_at[i]` of the source, in this order. The answer is the token of the highest
    logit at the last position.

    Args:
        hooks: names of activations [story, pos, ...], such as "blocks.1.hook_resid_pre".

    Source: interchange interventions (Geiger et al., arXiv 2106.02997).
    """
    rows = torch.arange(len(base))[:, None]
    said = []
    with torch.no_grad():
        _, cache = model.run_with_cache(source, names_filter=list(hooks))
        for name in hooks:

            def put(resid, hook, moved=cache[name][rows, source_at]):
                resid = resid.clone()
                resid[rows, at] = moved
                return resid

            said.append(model.run_with_hooks(base, fwd_hooks=[(name, put)])[:, -1].argmax(-1))
    return torch.stack(said)


def shares(
    said: Int[Tensor, "hook story"], answers: Int[Tensor, "account story"]
) -> Float[Tensor, "account hook"]:
    """How often the answers were those of each account."""
    return (said[None] == answers[:, None]).float().mean(-1)


# ---- Binding vectors ----------------------------------------------------------------------------


@guarded(model=evaluating, tokens=(axes(2), filled), at=(axes(2), as_long_as("tokens")))
def place_means(
    model, tokens: Int[Tensor, "story pos"], at: Int[Tensor, "story pair"], name: str
) -> Float[Tensor, "pair d_model"]:
    """The mean activation over stories at each place, such as at the first and the second drink.

    Args:
        at: for each story the position of what stands at each place.
        name: of the hook.
    """
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=name)
    rows = torch.arange(len(tokens))[:, None]
    return cache[name][rows, at].mean(0)


def exchange_ids(
    means: Float[Tensor, "pair d_model"],
    at: Int[Tensor, "story pair"],
    name: str,
    *,
    places: tuple[int, int] = (0, 1),
) -> tuple[str, Callable]:
    """A pair (name, hook) that exchanges the binding vectors of two places, and nothing else.

    At the position of the first place the activation gets the mean difference added that leads from
    the first place to the second; at that of the second the same difference is subtracted.

    Args:
        means: as `place_means` gives them.
        at: positions, as for `place_means`; of the same stories as the run with the hook.

    Source: mean interventions (Feng and Steinhardt, arXiv 2310.17191).
    """
    first, second = places
    step = means[second] - means[first]

    def hook(resid, hook):
        resid = resid.clone()
        rows = torch.arange(len(resid))
        resid[rows, at[:, first]] += step
        resid[rows, at[:, second]] -= step
        return resid

    return name, hook


# ---- Subspaces ----------------------------------------------------------------------------------


@guarded(model=evaluating, base=(axes(2), filled), source=shaped_as("base"), bases=filled)
def subspace_interchange(
    model,
    base: Int[Tensor, "story pos"],
    source: Int[Tensor, "story pos"],
    bases: Sequence[Float[Tensor, "d_model _"]],
    *,
    name: str,
) -> Int[Tensor, "basis story"]:
    """What a model answers to `base` when a part of the last token's activation is the source's.

    For each basis by itself: the part of the activation that lies in the space of its columns is
    the source's, the rest the base's own. The answer is the token of the highest logit at the last
    position.

    Args:
        bases: orthonormal columns, of any number each.
        name: of the hook.

    Source: Geiger et al. (arXiv 2303.02536).
    """
    said = []
    with torch.no_grad():
        _, cache = model.run_with_cache(source, names_filter=name)
        for basis in bases:

            def put(resid, hook, basis=basis):
                resid = resid.clone()
                apart = cache[name][:, -1] - resid[:, -1]
                resid[:, -1] += apart @ basis @ basis.T
                return resid

            said.append(model.run_with_hooks(base, fwd_hooks=[(name, put)])[:, -1].argmax(-1))
    return torch.stack(said)


class _Drawn(NamedTuple):
    """What `find_subspace` takes: here both inputs are tokens."""

    base: Tensor
    source: Tensor
    label: Tensor


def search(
    model,
    draw: Callable[[], StoryPairs],
    *,
    name: str,
    account: str,
    rank: int,
    steps: int = 150,
    lr: float = 0.02,
    generator: torch.Generator,
) -> Float[Tensor, "d_model rank"]:
    """Distributed alignment search at the last token: where does an account hold?

    `utils.cases.clinic.find_subspace` does the search; lesson 5.9 has you write it.

    Args:
        draw: gives new pairs.
        account: whose answers are wanted, one of `ACCOUNTS`.
    """
    drawn: list[StoryPairs] = []

    def new() -> _Drawn:
        drawn[:] = [draw()]
        return _Drawn(drawn[0].base, drawn[0].source, drawn[0].answers[ACCOUNTS.index(account)])

    def low(tokens):
        with torch.no_grad():
            return model.run_with_cache(tokens, names_filter=name)[1][name][:, -1]

    def high(hidden):
        def put(resid, hook):
            return torch.cat([resid[:, :-1], hidden[:, None]], dim=1)

        return model.run_with_hooks(drawn[0].base, fwd_hooks=[(name, put)])[:, -1]

    return find_subspace(
        low, high, new, width=model.cfg.d_model, rank=rank, steps=steps, lr=lr, generator=generator
    )
