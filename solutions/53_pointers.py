# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5.3 · Pointers: binding and belief
#
# [![Open lesson 5.3 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/53_pointers.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.2 · Keep thinking or stop](52_keep_thinking.ipynb) | **Next:** [5.4 · A picture in context, its null, and what is left](54_in_context_geometry.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/52_keep_thinking.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/54_in_context_geometry.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. build counterfactual pairs in which a name, a place and a word give three different answers;
# 2. write an interchange intervention, and say by layer which of the three a token holds;
# 3. move binding vectors and subspaces, and choose the control that such a result needs.
#
# **Time** 80 minutes for the core, and 20 minutes for *Going deeper*. **Needs** lessons 1.4: patching; 2.1: controls.
# **Runs** in about two minutes on a laptop's processor.
#
# **First, play.** A small transformer reads a story about who has which drink, and answers a question. In a story of *clauses* each name stands beside its drink; in a story of *lists* only the order binds them. Change the names, the drinks, the form and the question. Can you make it fail? (It knows the words in `task.CHARACTERS`, `task.DRINKS` and `task.ORDINALS`, and learned on stories of two and three pairs.)

# %% tags=["setup"]
import pathlib, runpy, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "https://github.com/heads-to-features/heads-to-features"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root, why = next(found, here / "heads-to-features"), "delete this folder, which is half there"
if not root.exists():
    git = f'git clone -q --depth=1 {url} "{root}"'
    why = " ".join(subprocess.getoutput(f"{git} -b v0.1.0 || {git}").split())[-200:]
if not (root / "utils" / "lesson.py").exists():
    sys.exit(f"Could not fetch the course to {root}; mend this, run the cell again: {why}")
runpy.run_path(str(root / "utils" / "lesson.py"))["begin"]()

# %%
from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from data.binding import task
from utils import plots
from utils.cases import binding
from utils.cases.binding import ACCOUNTS, draw_stories, shares
from utils.checks import lesson_53
from utils.checks.predict import outcome, predict
from utils.circuits.figures import diagram
from utils.lesson import claim
from utils.models import load

toy = load("binding/toy", device="cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ids(words: str) -> Tensor:
    return torch.tensor([[task.STORY_WORDS.index(word) for word in words.split()]])


WHO, WHAT, FORM, QUESTION = "Amy Bob Carl", "tea milk juice", "lists", "Bob"  # change me

told = task.write_story(ids(WHO), ids(WHAT), form=FORM, fillers=2, generator=seeded(0))
question = task.ask(told.tokens, ids(QUESTION)[0])
with torch.no_grad():
    chances = toy(question)[0, -1].softmax(-1)
print(task.text(question[0]))
plots.bars(
    {task.STORY_WORDS[i]: chances[i].item() for i in chances.topk(5).indices.tolist()},
    title="What does the toy answer?",
    y="probability",
)

# %% [markdown]
# ## 1. Who can do the task?
#
# To answer, a model must **bind** each drink to a name, and look the right one up. First the gate: can a model do it at all? SmolLM2 gets 40 prompts like `Amy has the key. Bob has the cup. Amy has the`, with two, three and four pairs. Compare its likeliest *listed* thing with a random listed thing.

# %%
smol = load()
PEOPLE = ["Amy", "Bob", "Carl", "Dan", "Eve", "Fred"]
THINGS = ["key", "cup", "hat", "map", "pen", "ring", "book", "coin"]


def gate(n: int) -> float:
    """How often the right one of the listed things is likeliest, on 40 prompts."""
    random, right = seeded(n), 0
    for _ in range(40):
        who, what = (
            [words[i] for i in torch.randperm(len(words), generator=random)[:n].tolist()]
            for words in (PEOPLE, THINGS)
        )
        asked = int(torch.randint(n, (1,), generator=random))
        said = " ".join(f"{a} has the {b}." for a, b in zip(who, what, strict=True))
        with torch.no_grad():
            logits = smol(smol.to_tokens(f"{said} {who[asked]} has the"))[0, -1]
        listed = [smol.to_single_token(f" {word}") for word in what]
        right += int(logits[listed].argmax()) == asked
    return right / 40


def accuracy(model, form: str, n: int) -> float:
    """How often the right drink is the likeliest token, on 400 stories."""
    pairs = draw_stories(400, n, form=form, generator=seeded(20))
    with torch.no_grad():
        return (model(pairs.base)[:, -1].argmax(-1) == pairs.answers[0]).float().mean().item()


smol_right = {n: gate(n) for n in (2, 3, 4)}
toy_right = {(form, n): accuracy(toy, form, n) for form in task.FORMS for n in (2, 3)}
plots.table(
    [
        ("SmolLM2, sentences", *(f"{smol_right[n]:.2f}" for n in (2, 3, 4))),
        *(
            (f"toy, {form}", *(f"{toy_right[form, n]:.2f}" for n in (2, 3)), "not trained")
            for form in task.FORMS
        ),
        ("a random listed one", "0.50", "0.33", "0.25"),
    ],
    columns=["model", "2 pairs", "3 pairs", "4 pairs"],
)

# %% [markdown]
# SmolLM2 is hardly better than a random listed thing, so there is no mechanism to look for in it. The toy passes. It has 4 layers of width 64 and about 140,000 parameters. It was trained on both forms, and on questions with ordinals (`? second`) and about ordinals (`where Amy`: `first`), which make it worth its while to know the place of a pair. So it is a toy that was *invited* to use places; whether it does so for names is open.

# %% tags=["numbers"]
assert all(smol_right[n] < 1 / n + 0.2 for n in smol_right)
assert min(toy_right.values()) > 0.95

# %% [markdown]
# ## 2. A name, a place, or the drink itself?
#
# At the last token the model must at some time hold the answer. What does it hold before? Three accounts:
#
# - **name**: still the name in question, which it will compare with names stored beside the drinks;
# - **place**: a *pointer*, such as "the second pair", which it follows to the drink that is there;
# - **drink**: the answer itself, the *payload* of the pointer.
#
# In most prompts the three agree. So build a **counterfactual** in which they do not: let two names change places, and give all places fresh drinks. Then move the state of the last token from the source to the base.

# %%
diagram(
    {
        "source: Bob Amy , gin rum , ? Amy": (0, 1),
        "base: Amy Bob , tea milk , ? Amy": (0, 0),
        "state of the<br>last token": (2.2, 0.5),
        "name: tea": (4, 1),
        "place: milk": (4, 0.5),
        "drink: rum": (4, 0),
    },
    [
        ("source: Bob Amy , gin rum , ? Amy", "state of the<br>last token"),
        ("state of the<br>last token", "name: tea"),
        ("state of the<br>last token", "place: milk"),
        ("state of the<br>last token", "drink: rum"),
    ],
    title="What the base then answers tells what the state holds",
    marked=["state of the<br>last token"],
)

# %% [markdown]
# ### Exercise 1 · the counterfactual (7 minutes, easy)


# %% tags=["exercise:utils.cases.binding.exchange_places"]
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
    ### BEGIN SOLUTION
    rows = torch.arange(len(names))
    swapped = names.clone()
    swapped[rows, asked] = names[rows, other]
    swapped[rows, other] = names[rows, asked]
    answers = torch.stack([drinks[rows, asked], drinks[rows, other], fresh[rows, other]])
    return swapped, answers
    ### END SOLUTION


# %% tags=["check"]
exchange_places = lesson_53.check_exchange_places(exchange_places)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# With `rows = torch.arange(len(names))`, `names[rows, asked]` takes another column in each row, and `swapped[rows, asked] = ...` assigns there. Read from `names`, and write into a copy.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In the source the name in question stands at place `other`, so its drink there is `fresh[rows, other]`, and what the base has at that place is `drinks[rows, other]`.
#
# </details>

# %% [markdown]
# ### Exercise 2 · the interchange (12 minutes, medium)
#
# `draw_stories` draws names and drinks, calls the course's version of your function, and writes both stories with the same filler words at the same positions. Now write the intervention. It will also serve to move several tokens at once, so it takes positions for each story.


# %% tags=["exercise:utils.cases.binding.interchange"]
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
    ### BEGIN SOLUTION
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
    ### END SOLUTION


# %% tags=["check"]
interchange = lesson_53.check_interchange(interchange)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Run the source once with `model.run_with_cache(source, names_filter=list(hooks))`. With `rows = torch.arange(len(base))[:, None]`, `cache[name][rows, source_at]` has shape [story, moved, ...].
#
# </details>
# <details><summary>Hint 2</summary>
#
# For each name one run of the base with one hook, which clones its activation, assigns to `[rows, at]` and returns it. A hook that is made in a loop takes what it needs as a default argument: `def put(resid, hook, moved=cache[name][rows, source_at])`.
#
# </details>

# %%
predict(
    "53.bands",
    "In stories of two clauses, what does the last token hold just before block 3, the last one?",
    choices=["the name in question", "the place of its pair", "the drink"],
)

# %%
HOOKS = [f"blocks.{i}.hook_resid_pre" for i in range(4)] + ["blocks.3.hook_resid_post"]


def at_end(pairs: binding.StoryPairs, *, back: int = 0) -> Tensor:
    """The position of the last token, or of one before it, for each story."""
    return torch.full((len(pairs.base), 1), pairs.base.shape[1] - 1 - back)


def bands(model, form: str, n: int, *, back: int = 0) -> Tensor:
    """The share of each account after an interchange at each hook: [account, hook]."""
    pairs = draw_stories(400, n, form=form, generator=seeded(21))
    at = at_end(pairs, back=back)
    return shares(
        interchange(model, pairs.base, pairs.source, HOOKS, at=at, source_at=at), pairs.answers
    )


found = {(form, n): bands(toy, form, n) for form in task.FORMS for n in (2, 3)}
before = found["clauses", 2][:, 3]
outcome(
    "53.bands",
    ["the name in question", "the place of its pair", "the drink"][int(before.argmax())],
)
plots.curves(
    {
        (f"{n} pairs", form): dict(zip(ACCOUNTS, found[form, n], strict=True))
        for n in (2, 3)
        for form in task.FORMS
    },
    at=range(5),
    title="Which account does the answer follow?",
    x="layer of the interchange",
)

# %% [markdown]
# Layer 4 stands for the stream after the last block. With two pairs there are clear bands. Up to layer 1 nothing but the name is there. At layer 3 the answer follows the **place**: **1.00** in lists, **0.92** in clauses, where the name stands beside its drink and no pointer would be needed. After block 3 the drink itself is there. So blocks 1 and 2 make a pointer, and block 3 follows it.
#
# **The control.** At layer 0 the last token is the same word in base and source, so an exchange cannot change anything; it does not. And at the question mark, one token earlier, the exchange moves nothing at any layer. With three pairs the place gets only about a half.

# %% tags=["numbers"]
claim("place, two lists, layer 3", found["lists", 2][1, 3].item(), text=1.00, within=0.05)
claim("place, two clauses, layer 3", found["clauses", 2][1, 3].item(), text=0.92, within=0.06)
for (form, n), share in found.items():
    assert share[0, :2].min() > 0.9 and share[2, 4] > 0.98 and share[2, :4].max() < 0.1
    assert bands(toy, form, n, back=1)[0].min() > 0.98
assert all(0.4 < found[form, 3][1, 3] < 0.7 for form in task.FORMS)

# %% [markdown]
# **Another network.** `seed_1` was trained by the same recipe from another start, and it is right on every story of two pairs. Does it go the same way?

# %%
second = load("binding/seed_1", device="cpu")
again = {form: bands(second, form, 2) for form in task.FORMS}
plots.curves(
    {("share", form): dict(zip(ACCOUNTS, each, strict=True)) for form, each in again.items()},
    at=range(5),
    title="Two pairs, another network: which account?",
    x="layer of the interchange",
).update_layout(height=380, legend_y=-0.3)

# %% [markdown]
# Name, place, drink come in the same order, and at other layers: this network has its pointer at layer 1, and begins to follow it in block 1. So the *order* holds in both networks, and the layers are those of one. (A third start did not learn the task in as many steps: `data/binding/README.md`.)

# %% tags=["numbers"]
for each in again.values():
    assert each[0, 0] > 0.95 and each[1, 1] > 0.95 and each[2, 4] > 0.95 and each[2, 1] < 0.05

# %% [markdown]
# ## 3. What an average hides
#
# An average of about a half has many possible causes. Before you build on it, look inside.

# %%
predict(
    "53.average",
    "Three pairs, layer 3: the answer follows the place in about half of the stories. Why?",
    choices=[
        "the pointer is about as unreliable for every pair of places",
        "it works for some places and not at all for others",
        "it works between neighbours only",
    ],
)

# %%


def by_places(form: str, n: int) -> Tensor:
    """How often the answer follows the place, by place in the base (row) and in the source."""
    table = torch.full((n, n), float("nan"))
    for asked in range(n):
        pairs = draw_stories(600, n, form=form, asked=asked, generator=seeded(26))
        at = at_end(pairs)
        said = interchange(toy, pairs.base, pairs.source, HOOKS[3:4], at=at, source_at=at)[0]
        drinks = pairs.base.gather(1, pairs.drink_at)
        place = (drinks == pairs.answers[1][:, None]).int().argmax(1)
        for other in set(range(n)) - {asked}:
            follows = (said == pairs.answers[1])[place == other]
            table[asked, other] = follows.float().mean()
    return table


inside = {form: by_places(form, 3) for form in task.FORMS}
flat = torch.stack([*inside.values()])
swap_late = flat[:, [1, 2], [2, 1]]
outcome(
    "53.average",
    "it works for some places and not at all for others"
    if swap_late.max() < 0.1 and flat[:, [0, 1, 2], [1, 0, 0]].min() > 0.5
    else "it works between neighbours only"
    if flat[:, 0, 2].max() < 0.1
    else "the pointer is about as unreliable for every pair of places",
)
PLACES = ["first", "second", "third"]
plots.heatmap(
    inside,
    rows=PLACES,
    columns=PLACES,
    x="place in the source",
    y="place in the base",
    title="How often does the answer follow the place?",
    text="values",
)

# %% [markdown]
# Between the first place and another, the answer follows the place in most stories. Between the second and the third it practically *never* does: the answer stays with the name. (Cells on the diagonal have no exchange.) An average share of `0.5` looks like noise, and is none.
#
# Does the state not *hold* second and third, or is that not *used*? A probe can tell. It is fitted on the last token's state at layer 3, in stories about the second or the third name, and scored on others; once with the places shuffled.


# %%
def probe_places(form: str, *, shuffled: bool) -> float:
    """How often a linear probe tells second from third in 600 new stories."""
    states, labels = [], []
    for asked in (1, 2):
        pairs = draw_stories(600, 3, form=form, asked=asked, generator=seeded(35 + asked))
        with torch.no_grad():
            _, cache = toy.run_with_cache(pairs.base, names_filter=HOOKS[3])
        states.append(cache[HOOKS[3]][:, -1])
        labels.append(torch.full((600,), asked))
    x, y = torch.cat(states), torch.cat(labels)
    order = torch.randperm(1200, generator=seeded(38))
    fit, rest = order[:600], order[600:]
    known = y[fit[torch.randperm(600, generator=seeded(39))]] if shuffled else y[fit]
    x = (x - x[fit].mean(0)) / x[fit].std(0)
    probe = LogisticRegression(C=0.1, max_iter=1000).fit(x[fit].numpy(), known.numpy())
    return float(probe.score(x[rest].numpy(), y[rest].numpy()))


probed = {
    (form, shuffled): probe_places(form, shuffled=shuffled)
    for form in task.FORMS
    for shuffled in (False, True)
}
plots.table(
    [(form, f"{probed[form, False]:.2f}", f"{probed[form, True]:.2f}") for form in task.FORMS],
    columns=["stories of three", "second or third: probe", "shuffled places"],
)

# %% [markdown]
# The place is held, and for second and third it is overruled by the name, which the state holds too. That is close to what Gur-Arieh and colleagues (arXiv 2510.06182) find in language models: a *positional* mechanism that is good at the ends of a list and poor inside, supplemented by a *lexical* one, which goes by the name.

# %% tags=["numbers"]
assert swap_late.max() < 0.05
assert flat[:, [0, 0, 1, 2], [1, 2, 0, 0]].min() > 0.5
assert flat[:, [1, 2], [0, 0]].min() > 0.75
assert min(probed[form, False] for form in task.FORMS) > 0.75
assert max(abs(probed[form, True] - 0.5) for form in task.FORMS) < 0.12

# %% [markdown]
# ## 4. Where does the pointer point?
#
# A pointer needs an address. Feng and Steinhardt (arXiv 2310.17191) propose **binding IDs**: names and drinks carry, beside what they are, a vector that says to which pair they belong. If so, two tests should come out:
#
# - **Position independence.** Let the states of two drinks change *positions*. If the address is where they stand, the answer changes. If it is a vector that they carry, the answer stays.
# - **Mean interventions.** Add the mean difference between the second place and the first to one drink, and subtract it from the other. The words stay, and the answer changes.
#
# Your `interchange` does the first test: source and base are the same story.

# %%
predict(
    "53.address",
    "From which layer on does the answer stay when the streams of two drinks change positions?",
    choices=[
        "from layer 0: drinks carry their address from the start",
        "from layer 2",
        "never: the address is the position",
    ],
)


# %%
def positions_changed(form: str, n: int, places: tuple[int, int]) -> Tensor:
    """How often the answer stays, by layer, when two drinks change positions.

    The question is about the first of the two.
    """
    pairs = draw_stories(400, n, form=form, asked=places[0], generator=seeded(22))
    at = pairs.drink_at[:, list(places)]
    said = interchange(toy, pairs.base, pairs.base, HOOKS[:4], at=at, source_at=at.flip(1))
    return (said == pairs.answers[0]).float().mean(1)


stays = {
    f"{form}, {n} pairs": positions_changed(form, n, (0, 1)) for form in task.FORMS for n in (2, 3)
}
inner = {f"{form}, second and third": positions_changed(form, 3, (1, 2)) for form in task.FORMS}
first = next(i for i, row in enumerate(torch.stack([*stays.values()]).T) if row.min() > 0.5)
outcome(
    "53.address",
    "from layer 0: drinks carry their address from the start"
    if first == 0
    else "from layer 2"
    if first == 2
    else "never: the address is the position",
)
plots.lines(
    {name: row.tolist() for name, row in (stays | inner).items()},
    at=range(4),
    title="Does the answer stay?",
    x="layer of the exchange",
    y="answer stays",
)

# %% [markdown]
# Take the first two drinks. Up to layer 1 the address *is* the position: the answer changes in nearly every story. From layer 2 on it stays, though the drinks stand at each other's positions. In between, block 1 has written into each drink to which pair it belongs. That is position independence, as Feng and Steinhardt found it.
#
# The second and the third drink are another matter. In lists their exchange changes the answer at layer 2 still; only at layer 3 it stays. So block 1 writes "first or not" into them, and what tells second from third comes later.
#
# ### Exercise 3 · the mean of a place (6 minutes, easy)


# %% tags=["exercise:utils.cases.binding.place_means"]
def place_means(
    model, tokens: Int[Tensor, "story pos"], at: Int[Tensor, "story pair"], name: str
) -> Float[Tensor, "pair d_model"]:
    """The mean activation over stories at each place, such as at the first and the second drink.

    Args:
        at: for each story the position of what stands at each place.
        name: of the hook.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=name)
    rows = torch.arange(len(tokens))[:, None]
    return cache[name][rows, at].mean(0)
    ### END SOLUTION


# %% tags=["check"]
place_means = lesson_53.check_place_means(place_means)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `model.run_with_cache(tokens, names_filter=name)` gives the activation [story, pos, d_model] under `cache[name]`. Do it within `torch.no_grad()`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `cache[name][rows, at]` with `rows = torch.arange(len(tokens))[:, None]` has shape [story, pair, d_model].
#
# </details>

# %% [markdown]
# ### Exercise 4 · exchange the binding vectors (8 minutes, medium)


# %% tags=["exercise:utils.cases.binding.exchange_ids"]
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
    ### BEGIN SOLUTION
    first, second = places
    step = means[second] - means[first]

    def hook(resid, hook):
        resid = resid.clone()
        rows = torch.arange(len(resid))
        resid[rows, at[:, first]] += step
        resid[rows, at[:, second]] -= step
        return resid

    return name, hook
    ### END SOLUTION


# %% tags=["check"]
exchange_ids = lesson_53.check_exchange_ids(exchange_ids)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The difference is `means[second] - means[first]`. The words' own content has averaged out of it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Inside the hook: clone; `rows = torch.arange(len(resid))`; add at `[rows, at[:, first]]` and subtract at `[rows, at[:, second]]`. Return the clone, and from the function the pair `(name, hook)`.
#
# </details>

# %% [markdown]
# Means are taken on some stories and used on others. Names are read before drinks are, so names get theirs before block 1, and drinks before block 2. The control: a random vector of the same length at the same two tokens.

# %%
AT = {
    "names": ("name_at", "blocks.1.hook_resid_pre"),
    "drinks": ("drink_at", "blocks.2.hook_resid_pre"),
}


def flipped(form: str, n: int, asked: int, *, random: bool = False) -> dict[str, float]:
    """How often the answer is the drink of the other one of the first two, by what was changed."""
    train, test = (
        draw_stories(400, n, form=form, asked=asked, generator=seeded(seed)) for seed in (23, 24)
    )
    hooks = {}
    for what, (field, name) in AT.items():
        means = place_means(toy, train.base, getattr(train, field), name)
        if random:
            step = torch.randn(means.shape[1], generator=seeded(25))
            step *= (means[1] - means[0]).norm() / step.norm()
            means = torch.stack([means[0], means[0] + step])
        hooks[what] = exchange_ids(means, getattr(test, field), name)
    other = test.base.gather(1, test.drink_at)[:, 1 - asked]
    runs = {
        "nothing": [],
        "names": [hooks["names"]],
        "drinks": [hooks["drinks"]],
        "both": [*hooks.values()],
    }
    found = {}
    for what, some in runs.items():
        with torch.no_grad():
            said = toy.run_with_hooks(test.base, fwd_hooks=some)[:, -1].argmax(-1)
        found[what] = (said == other).float().mean().item()
    return found


flips = {
    (form, n, asked, kind): flipped(form, n, asked, random=kind == "random vector")
    for form in task.FORMS
    for n in (2, 3)
    for asked in (0, 1)
    for kind in ("binding vector", "random vector")
}
plots.table(
    [
        (form, n, ("first", "second")[asked], kind, *(f"{x:.2f}" for x in row.values()))
        for (form, n, asked, kind), row in flips.items()
    ],
    columns=[
        "form",
        "pairs",
        "asked",
        "what is added",
        "nothing",
        "to names",
        "to drinks",
        "to both",
    ],
)

# %% [markdown]
# Look at stories that ask for the *first* name. For drinks it works: the binding vector at the two drinks turns the answer round in **0.88** of stories of two clauses and in all of those of lists, and a random vector of the same length does next to nothing. (It is a large step: about as long as the states themselves.)
#
# Asked for the *second* name, the same step does it in lists in part, and in stories of two clauses hardly ever. So the vectors do not simply re-bind two words: the change works one way. For names it works in part of the stories of lists, and in clauses no better than a random vector. Nor does changing *both* restore the answer, as it does in the published models. So **these parts did not replicate**. (Feng and Steinhardt exchange at all layers at once. Here names and drinks are each changed at one layer, chosen on other stories.)

# %% tags=["numbers"]
claim("drinks, clauses", flips["clauses", 2, 0, "binding vector"]["drinks"], text=0.88, within=0.06)
for (form, _, asked, kind), row in flips.items():
    if asked == 0 and kind == "random vector":
        assert max(row["nothing"], row["drinks"]) < 0.1
    elif asked == 0:
        assert row["drinks"] > 0.85 and row["both"] > 0.1
        assert row["names"] < 0.2 if form == "clauses" else 0.3 < row["names"] < 0.8
back = {form: flips[form, 2, 1, "binding vector"]["drinks"] for form in task.FORMS}
assert back["clauses"] < 0.2 and 0.4 < back["lists"] < 0.8
assert all(row.min() > 0.97 for row in (each[2:] for each in stays.values()))
assert all(row.max() < 0.15 for row in (each[:2] for each in stays.values()))
assert inner["lists, second and third"][2] < 0.1 and inner["lists, second and third"][3] > 0.9

# %% [markdown]
# ## 5. How large is the pointer?
#
# Prakash and colleagues found the pointer of Llama-3-70B in a subspace of few dimensions. The search for it is **distributed alignment search** (DAS): gradient descent over orthonormal columns, until exchanging only what lies in their span gives the answers of one account. `binding.search` does that; lesson 5.9 has you write it. You write what makes its result a finding: the interchange in *any* subspace, on new pairs.
#
# ### Exercise 5 · exchange a part (9 minutes, medium)


# %% tags=["exercise:utils.cases.binding.subspace_interchange"]
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
    ### BEGIN SOLUTION
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
    ### END SOLUTION


# %% tags=["check"]
subspace_interchange = lesson_53.check_subspace_interchange(subspace_interchange)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For orthonormal columns `Q`, the part of a vector x in their space is `x @ Q @ Q.T`. The changed state is the base's, plus that part of (source less base).
#
# </details>
# <details><summary>Hint 2</summary>
#
# One run of the source with a cache; then for each basis a run of the base with a hook that changes `resid[:, -1]` alone, and takes the basis as a default argument.
#
# </details>

# %% [markdown]
# We search at layer 3 for the *place*, in stories of lists with three pairs, and test on 400 new ones. Controls: a random subspace of the same rank; the same search for an answer that no account gives (the drink of the pair that has *not* moved); and the same search in an **untrained twin**, before its first trained block. The twin's embedding and blocks 0 and 1 are random; blocks 2 and 3 learned the task (two clauses). A network that cannot answer at all would be no control, since every search in it has to fail. Is this one better?

# %%
predict(
    "53.rank",
    "How many dimensions does DAS need, to move the place of three pairs as well as the whole state does?",
    choices=["one", "two", "more than two"],
)

# %%
twin = load("binding/twin", device="cpu")


def nobody(pairs: binding.StoryPairs) -> binding.StoryPairs:
    """The same pairs, with the drink of the pair that has not moved as the wanted answer."""
    drinks = pairs.base.gather(1, pairs.drink_at)
    moved = (drinks[..., None] == pairs.answers[:2].T[:, None]).any(-1)
    unmoved = drinks.gather(1, moved.int().argmin(1, keepdim=True))[:, 0]
    return pairs._replace(answers=torch.stack([pairs.answers[0], unmoved, pairs.answers[2]]))


def das(
    model, form: str, n: int, layer: int, rank: int, *, wanted=lambda pairs: pairs
) -> list[float]:
    """How often the wanted answer comes: after DAS, in a random subspace, by the whole state.

    And by all that is at right angles to what DAS found.
    """
    random, name = seeded(27), HOOKS[layer]

    def draw(batch: int = 48) -> binding.StoryPairs:
        return wanted(draw_stories(batch, n, form=form, generator=random))

    basis = binding.search(
        model, draw, name=name, account="place", rank=rank, steps=120, lr=0.05, generator=seeded(28)
    )
    width = model.cfg.d_model
    bases = [
        basis,
        torch.linalg.qr(torch.randn(width, rank, generator=seeded(29))).Q,
        torch.eye(width),
        torch.linalg.qr(basis, mode="complete").Q[:, rank:],
    ]
    new = draw(400)
    said = subspace_interchange(model, new.base, new.source, bases, name=name)
    return shares(said, new.answers)[1].tolist()


NOBODY = "nobody's"
searches = {
    ("toy", "lists, 3 pairs", 3, 1, "place"): das(toy, "lists", 3, 3, 1),
    ("toy", "lists, 3 pairs", 3, 2, "place"): das(toy, "lists", 3, 3, 2),
    ("toy", "lists, 3 pairs", 3, 2, NOBODY): das(toy, "lists", 3, 3, 2, wanted=nobody),
    ("toy", "clauses, 2 pairs", 3, 1, "place"): das(toy, "clauses", 2, 3, 1),
    ("twin", "clauses, 2 pairs", 2, 1, "place"): das(twin, "clauses", 2, 2, 1),
}
one, two = (searches["toy", "lists, 3 pairs", 3, rank, "place"] for rank in (1, 2))
outcome(
    "53.rank",
    "one" if one[0] > 0.85 * one[2] else "two" if two[0] > 0.85 * two[2] else "more than two",
)
twin_right = accuracy(twin, "clauses", 2)
plots.table(
    [(*key, *(f"{x:.2f}" for x in row)) for key, row in searches.items()],
    columns=[
        "model",
        "stories",
        "layer",
        "rank",
        "wanted answer",
        "DAS",
        "random subspace",
        "whole state",
        "all but DAS's subspace",
    ],
)

# %% [markdown]
# One dimension of 64 moves the place nearly as well as the whole state, and two do as well. With two clauses one dimension gives **0.97**. The search cannot make the toy give nobody's answer much more often than the whole state does.
#
# **Now audit the other two controls.** The random dimension holds about a 64th of the difference, so it could hardly have done anything. And in the twin even the *whole* state moves no place, though the twin answers every story of its own task. There was next to nothing for the search to find, so the twin is no strong test of DAS. The row of *nobody's* answer is one: the state and the search are the same, and only the wanted answer differs. The last column is the strongest: all other 63 dimensions together move the place in hardly any story. So this dimension is needed, and nearly enough, for what the whole state does. That something else rides on it is not excluded.

# %% tags=["numbers"]
claim(
    "DAS, two clauses",
    searches["toy", "clauses, 2 pairs", 3, 1, "place"][0],
    text=0.97,
    within=0.08,
)
assert one[2] > 0.4 and one[0] > 0.8 * one[2] and two[0] > 0.9 * one[2]
assert all(row[1] < 0.05 for row in searches.values())
assert max(one[3], searches["toy", "clauses, 2 pairs", 3, 1, "place"][3]) < 0.1
nobodys = searches["toy", "lists, 3 pairs", 3, 2, NOBODY]
assert nobodys[0] < nobodys[2] + 0.08 < 0.3 and twin_right > 0.95
assert max(searches["twin", "clauses, 2 pairs", 2, 1, "place"]) < 0.1

# %% [markdown]
# ## 6. Over to you
#
# Block 3 follows the pointer. Which of its heads do? `carry([...])` takes the outputs of some heads at the last token from the source, and gives the share of answers by drink: what these heads brought. All 16 heads are open to you, and you have ten calls.
#
# ### Investigation · which two heads follow the pointer? (8 minutes, medium)

# %%
left = [10]


def carry(heads: Sequence[tuple[int, int]]) -> float | None:
    """The share of the source's drink when the outputs of these heads, (layer, head), are its."""
    if not left[0]:
        print("The budget is spent: decide.")
        return None
    left[0] -= 1
    pairs = draw_stories(400, 2, form="lists", generator=seeded(30))
    names = [f"blocks.{layer}.attn.hook_z" for layer, _ in heads]
    with torch.no_grad():
        _, cache = toy.run_with_cache(pairs.source, names_filter=names)

        def put(z, hook, name, head):
            z = z.clone()
            z[:, -1, head] = cache[name][:, -1, head]
            return z

        hooks = [(n, partial(put, name=n, head=h)) for n, (_, h) in zip(names, heads, strict=True)]
        said = toy.run_with_hooks(pairs.base, fwd_hooks=hooks)[:, -1].argmax(-1)
    return round(shares(said[None], pairs.answers)[2, 0].item(), 2)


print("all of block 3:", carry([(3, head) for head in range(4)]))

# %% tags=["solution-only"]
alone = [carry([(3, head)]) for head in range(4)]
together = carry([(3, 1), (3, 2)])
others = carry([(3, 0), (3, 3)])
print(alone, together, others)

# %% tags=["answer:followers"]
### BEGIN SOLUTION
followers = {(3, 1), (3, 2)}
### END SOLUTION

# %% tags=["check"]
followers = lesson_53.check_followers(followers)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# One head alone moves little, since the other one still brings the base's drink, and both are heard. Try pairs.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Block 3 has six pairs of heads, and you have nine calls left.
#
# </details>

# %% tags=["numbers"]
assert together > 0.9 and others < 0.1 and max(alone) < 0.5

# %% [markdown]
# ## Going deeper: longer lists
#
# The toy learned on two and three pairs. Ask it about four to six.

# %%


def places_answered(form: str, n: int) -> Tensor:
    """How often the drink of each place is the answer (column), by the place in question (row)."""
    rows = []
    for asked in range(n):
        names, drinks = task.draw_words(400, n, generator=seeded(31))
        story = task.write_story(names, drinks, form=form, fillers=3, generator=seeded(32))
        with torch.no_grad():
            said = toy(task.ask(story.tokens, names[:, asked]))[:, -1].argmax(-1)
        rows.append((said[:, None] == drinks).float().mean(0))
    return torch.stack(rows)


longer = {form: places_answered(form, 6) for form in task.FORMS}
plots.heatmap(
    longer,
    rows=task.ORDINALS,
    columns=task.ORDINALS,
    x="place of the answer",
    y="place in question",
    title="Six pairs: which drink does the toy give?",
    text="values",
)

# %% [markdown]
# The first place is still answered, **0.94** in clauses and **0.87** in lists. All other places blur. In clauses the right drink is mostly still the likeliest, since the name helps; the last place loses even there. In lists, where only order binds, the answer is any drink but the first. So "first or not" carries over to six. The published models blur in the *middle* of long lists; ours blurs everywhere but at the start. It never saw a fourth place in training, so this is a test of transfer, and not of the same failure.

# %% tags=["numbers"]
claim("first of six, clauses", longer["clauses"][0, 0].item(), text=0.94, within=0.04)
claim("first of six, lists", longer["lists"][0, 0].item(), text=0.87, within=0.06)
assert longer["lists"].diagonal()[1:].max() < 0.35 and longer["lists"][1:, 0].max() < 0.15
assert longer["clauses"].diagonal()[1:5].min() > 0.35 > 0.2 > longer["clauses"][5, 5]

# %% [markdown]
# ## Going deeper: belief
#
# Prakash and colleagues study stories in which one character does or does not see what another does. A second toy, trained on from the first, reads `Amy tea , Bob milk , Amy gin hidden , ? Amy`: Amy changes her drink, the others do not see it, and the question is what *they believe*. The answer is `tea`; after `seen` it is `gin`. The source has the other word of sight, and fresh drinks. Three answers again: the base's own; the base's drink at the *other* of the two mentions (a pointer to a mention); and the source's drink.

# %%
believer = load("binding/belief", device="cpu")


def sight_pairs(batch: int, *, seen: int) -> tuple[Tensor, Tensor, Tensor]:
    """Base, source with the other word of sight, and the answers by the three accounts."""
    names, drinks = task.draw_words(batch, 2, sets=3, generator=seeded(33))
    asked = names[:, 0]
    stories = []
    for of, sight in ((drinks[:, :3], seen), (drinks[:, 3:], 1 - seen)):
        told = task.write_story(names, of[:, :2], form="clauses", fillers=3, generator=seeded(34))
        sights = torch.full((batch,), sight)
        stories.append(task.ask(task.change(told.tokens, asked, of[:, 2], sights), asked))
    own, other = (2, 0) if seen else (0, 2)
    return *stories, torch.stack([drinks[:, own], drinks[:, other], drinks[:, 3 + other]])


BACK = {"the word of sight": 4, "the last token": 1}
beliefs = {}
for seen in (1, 0):
    base, source, answers = sight_pairs(400, seen=seen)
    for where, back in BACK.items():
        at = torch.full((400, 1), base.shape[1] - back)
        said = interchange(believer, base, source, HOOKS, at=at, source_at=at)
        beliefs[where, "seen" if seen else "hidden"] = shares(said, answers)
plots.curves(
    {
        (where, f"base: {sight}"): dict(
            zip(["base's own", "other mention", "source's drink"], share, strict=True)
        )
        for (where, sight), share in beliefs.items()
    },
    at=range(5),
    title="Which answer, after an exchange at one token?",
    x="layer of the interchange",
)

# %% [markdown]
# At layer 0 the word of sight turns the answer to the other mention, both ways, as it should. From layer 1 on the two ways differ. Where `seen` is moved into a story that said `hidden`, the answer is now the *source's drink*: block 0 has copied the new drink into the word `seen`. So this word holds a payload, and no pointer to a mention. The last token holds only the name until block 3 brings the drink.
#
# In Llama-3-70B a *visibility lookback* goes by an ID, which is dereferenced later. Our toy behaves alike and does it otherwise: **the mechanism did not replicate**. The right belief in an answer says little about how it was reached.

# %% tags=["numbers"]
for sight in ("seen", "hidden"):
    sights, ends = beliefs["the word of sight", sight], beliefs["the last token", sight]
    assert sights[1, 0] > 0.95 and sights[0, 4] > 0.95
    assert ends[0, :4].min() > 0.95 and ends[2, 4] > 0.95
assert beliefs["the word of sight", "hidden"][2, 1:4].min() > 0.9
assert beliefs["the word of sight", "seen"][1, 1:4].min() > 0.9

# %% [markdown]
# ## The results

# %% tags=["results"]
plots.table(
    [
        (
            "place (pointer) at the last token",
            f"{found['lists', 2][1, 3]:.2f}, two lists; {found['lists', 3][1, 3]:.2f}, three; layer 3 of 4",
            "0.00 at layer 0, and at the token before",
            "1.00 at layer 38 of 80 (Llama-3-70B; Prakash et al., from summaries of it)",
        ),
        (
            "drink (payload) at the last token",
            f"{found['lists', 2][2, 4]:.2f}, after the last block",
            f"{found['lists', 2][2, 3]:.2f} at layer 3",
            "1.00 at layer 79 (the same)",
        ),
        (
            "rank of the pointer",
            f"1: {one[0]:.2f} of {one[2]:.2f}",
            f"random: {one[1]:.2f}; nobody's answer: {searches['toy', 'lists, 3 pairs', 3, 2, NOBODY][0]:.2f}; twin: {searches['twin', 'clauses, 2 pairs', 2, 1, 'place'][0]:.2f}",
            "2 gives .975 (the same)",
        ),
        (
            "binding vector at drinks; at names; at both",
            "; ".join(
                f"{flips['lists', 2, 0, 'binding vector'][k]:.2f}"
                for k in ("drinks", "names", "both")
            )
            + " flipped, two lists",
            "random: "
            + "; ".join(
                f"{flips['lists', 2, 0, 'random vector'][k]:.2f}"
                for k in ("drinks", "names", "both")
            ),
            "either flips, both restore (LLaMA and Pythia; Feng and Steinhardt)",
        ),
        (
            "place, inside a list of three",
            f"{swap_late.max():.2f} between second and third",
            f"{flat[:, [1, 2], [0, 0]].min():.2f} or more towards the first",
            "poor in the middle of long lists; names supplement it (nine models; Gur-Arieh et al.)",
        ),
    ],
    columns=["", "ours (toy, 0.14M)", "control", "published, with its model"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. In clauses the name stands beside its drink. Why might the toy still use a place? What in its training invited that?
# 2. Second and third are held at layer 3, and overruled. Which data would make the toy use them?
# 3. The binding vector moved drinks and not names. What would you exchange next?
# 4. Is a model that answers `tea` after `hidden` tracking a belief?
#
# ## Common mistakes
#
# - Counterfactuals in which two accounts give the same answer.
# - Reading an average share of a half as a noisy mechanism.
# - Calling what an exchange moves "position", when the tokens also moved.
# - DAS without new pairs, without a random subspace, or with a control network that cannot answer.
#
# ## Where this breaks
#
# One toy (and a second network for the bands), 38 words, stories of up to three pairs, trained with questions about places. Language models were not asked for places. The bands are at one token and by whole layers. An interchange shows what a state *can* do in another run, and not all that the model does with it.
#
# ## Further reading
#
# - Feng and Steinhardt (2024), *How do language models bind entities in context?*, arXiv 2310.17191; code: `jiahai-feng/binding-iclr`
# - Prakash et al. (2026), *Language models use lookbacks to track beliefs*, arXiv 2505.14685; belief.baulab.info
# - Gur-Arieh, Geva and Geiger (2025), *Mixing mechanisms*, arXiv 2510.06182; code: `yoavgur/mixing-mechs`
# - Geiger et al. (2023), *Finding alignments between interpretable causal variables and distributed neural representations*, arXiv 2303.02536
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.2 · Keep thinking or stop](52_keep_thinking.ipynb) | **Next:** [5.4 · A picture in context, its null, and what is left](54_in_context_geometry.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/52_keep_thinking.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/54_in_context_geometry.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("53")
