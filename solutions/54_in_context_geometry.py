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
# # 5.4 · A picture in context, its null, and what is left
#
# [![Open lesson 5.4 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/54_in_context_geometry.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.3 · Pointers: binding and belief](53_pointers.ipynb) | **Next:** [5.5 · Grokking, and two ways to add](55_grokking.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/53_pointers.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/55_grokking.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. make a published picture on a real model, and test it with one statistic and permuted labels;
# 2. find rival accounts that draw the same picture, and choose the data that tell them apart;
# 3. ablate heads and subspaces, and say what such an ablation shows and what it does not.
#
# **Time** 100 minutes for the core, and 10 minutes for *Going deeper*. **Needs** lessons 1.1: induction heads; 1.4: patching; 2.1: controls.
# **Runs** in two to three minutes on a laptop's processor.
#
# **First, play.** Ten words stand on a ring. A random walk on the ring is written down, a word a line, and the model reads it. Nothing in the text says "ring". The third cell shows where the model puts the ten words, in the plane of their
# two principal components. ("Layer 8" is the residual stream before block 8.) Move the slider through the layers. Where does the ring appear? Then change `SEED`, which draws other words and another walk.

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
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils import plots
from utils.cases import walks
from utils.cases.walks import Walk, ranked_ablations, write_walk
from utils.checks import lesson_54
from utils.checks.predict import outcome, predict
from utils.circuits.figures import diagram
from utils.circuits.induction import repeated_tokens, stripe_scores
from utils.heads import Head, top_heads
from utils.lesson import claim
from utils.models import load
from utils.reading.figures import slider

model = load()
N_LAYERS, N_HEADS = model.cfg.n_layers, model.cfg.n_heads
LAYER = 24  # four fifths of the depth, as in the published experiments


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def names(walk: Walk) -> list[str]:
    return [model.to_string(word) for word in walk.words]


SEED = 0  # change me

shown = write_walk(model, walks.ring(10), 200, seed=SEED)
print(model.to_string(shown.tokens[1:25]).replace("\n", " / "), "...")
LAYERS = [2, 8, 14, 16, 18, 19, 20, 22, 24, 26, 28]
pictures, _ = walks.trace_walk(model, shown, layers=LAYERS, last=100)


def draw(i: int):
    """The map of the words before one block."""
    panel = {f"layer {LAYERS[i]}": pictures[i]}
    return walks.maps(panel, shown.adjacency, names(shown), title="Where do the ten words lie?")


slider(draw, n=len(LAYERS), label="layer", names=LAYERS, at=LAYERS.index(LAYER))

# %% [markdown]
# ## 1. A famous picture
#
# Park and colleagues (arXiv 2501.00070) let `Llama-3.1-8B` read random walks on a 4 x 4 grid of unrelated words. After enough context the model puts most of its probability on words that may come next. At the same time the mean vectors of the words, drawn in the plane of two
# principal components, become the grid. Their reading: the model reorganises its representations in context, to fit the graph.
#
# Arditi (2026) answers: induction heads are enough for the task, and the picture is a by-product of heads that mix each word with the word before it. Ransome (2026) replies: ablate the subspace of the picture, and the task suffers; so the picture is used. You will run all three steps. (A **null** is what one would see without the cause that is claimed: here, random vectors that are mixed.)
#
# The published text has words one after the other, with spaces. Here each word has its own line, so the *next* word is predicted at the line break (the model has read the word there). We read the stream at that position.

# %%
diagram(
    {
        "bird": (0, 0),
        "line break": (1.2, 0),
        "car": (2.4, 0),
        "line break ": (3.6, 0),
        "stream before<br>block L": (3.6, 1),
        "probability of the<br>words that may follow": (5.6, 0),
        "mean over visits<br>to 'car'": (5.6, 1),
    },
    [
        ("bird", "line break"),
        ("line break", "car"),
        ("car", "line break "),
        ("line break ", "stream before<br>block L"),
        ("line break ", "probability of the<br>words that may follow"),
        ("stream before<br>block L", "mean over visits<br>to 'car'"),
    ],
    title="Two things are read at each step: the stream, and the next word",
    marked=["stream before<br>block L"],
)

# %% [markdown]
# ### Exercise 1 · trace a walk (12 minutes, medium)
#
# A `Walk` has `tokens` [pos], `nodes` [step] (where the walk is), `words` [node] (their tokens), `adjacency` [node, node] (1 where a step may lead from the row to the column) and `reads` [step] (the positions to read at).


# %% tags=["exercise:utils.cases.walks.trace_walk"]
def trace_walk(
    model, walk: Walk, *, layers: Sequence[int], last: int, hooks: Sequence[tuple] = ()
) -> tuple[Float[Tensor, "layer node d_model"], Float[Tensor, " step"]]:
    """The mean stream of each node, and how well the next word is predicted.

    One run of `walk.tokens`. Step t stands at position `walk.reads[t]`, where the next word is
    predicted. Only the last `last` steps count; the walk is at every node in them.

    Args:
        layers: L stands for the stream before block L.
        hooks: pairs (name, hook) at work during the run, such as ablations; what they change is
            what is read.

    Returns:
        For each layer and node the mean stream over the steps at which the walk is there; and for
        each step the probability of the words that may come next, added up.

    Source: Park et al. (arXiv 2501.00070), who average over the last 50 to 200 tokens.
    """
    ### BEGIN SOLUTION
    streams = {}

    def keep(layer):
        def hook(resid, hook):
            streams[layer] = resid[0, walk.reads[-last:]]

        return hook

    reading = [(f"blocks.{layer}.hook_resid_pre", keep(layer)) for layer in layers]
    with torch.no_grad():
        logits = model.run_with_hooks(walk.tokens[None], fwd_hooks=[*hooks, *reading])
    nodes = walk.nodes[-last:]
    means = [
        torch.stack([streams[layer][nodes == node].mean(0) for node in range(len(walk.words))])
        for layer in layers
    ]
    probs = logits[0, walk.reads[-last:]].softmax(-1)[:, walk.words]
    mass = (probs * walk.adjacency[nodes].to(probs.device)).sum(1)
    return torch.stack(means), mass
    ### END SOLUTION


# %% tags=["check"]
trace_walk = lesson_54.check_trace_walk(trace_walk)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each layer one more pair `(f"blocks.{layer}.hook_resid_pre", hook)`, whose hook keeps `resid[0, walk.reads[-last:]]` in a dictionary and returns nothing. Run once, with `fwd_hooks=[*hooks, *yours]`. In a loop, a hook must know its own layer: make it in a function.
#
# </details>
# <details><summary>Hint 2</summary>
#
# With `nodes = walk.nodes[-last:]`, the rows of one node are `stream[nodes == node]`. The probabilities of all words at the steps are `logits[0, reads].softmax(-1)[:, walk.words]`, and `walk.adjacency[nodes]` says which of them may follow.
#
# </details>

# %% [markdown]
# First a test of ability, the *gate*: can SmolLM2 do the task at all? Much of its probability is on tokens that are no words of the walk. So the table also has the share among the walk's words. Two rivals know no graph: an even guess among the words, and one that repeats the last ten words as often as they came.


# %%
@cache
def ring_walk(i: int, *, lines: bool = True) -> Walk:
    return write_walk(model, walks.ring(10), 200, lines=lines, seed=i)


@cache
def grid_walk(i: int, *, lines: bool = True) -> Walk:
    return write_walk(model, walks.grid(4, 4), 200, lines=lines, seed=i)


gate = {}
for graph, make in {"ring": ring_walk, "grid": grid_walk}.items():
    for form, lines in {"spaces, as published": False, "lines": True}.items():
        gate[graph, form] = [
            trace_walk(model, make(i, lines=lines), layers=[16, LAYER], last=100) for i in (0, 1)
        ]
masses = {key: [mass.mean().item() for _, mass in pair] for key, pair in gate.items()}


def share_of_words(walk: Walk, allowed: Tensor) -> float:
    """What part of the probability of all words of the walk is on those that may follow."""
    any_word = walk._replace(adjacency=torch.ones_like(walk.adjacency))
    _, all_words = trace_walk(model, any_word, layers=[0], last=100)
    return (allowed / all_words).mean().item()


shares = {
    (graph, form): [
        share_of_words(make(i, lines=form == "lines"), gate[graph, form][i][1]) for i in (0, 1)
    ]
    for graph, make in {"ring": ring_walk, "grid": grid_walk}.items()
    for form in ("spaces, as published", "lines")
}


def guesses(walk: Walk) -> tuple[float, float]:
    """The same share for an even guess among the words, and for the last ten words."""
    last = range(len(walk.nodes) - 100, len(walk.nodes))
    allowed = [walk.adjacency[walk.nodes[t]] for t in last]
    recent = [walk.nodes[t - 10 : t] for t in last]
    kept = [some[some != walk.nodes[t]] for t, some in zip(last, recent, strict=True)]
    repeated = [row[some].mean() for row, some in zip(allowed, kept, strict=True)]
    return torch.stack(allowed).mean().item(), torch.stack(repeated).mean().item()


rivals = {
    graph: torch.tensor([guesses(make(i)) for i in (0, 1)]).mean(0).tolist()
    for graph, make in {"ring": ring_walk, "grid": grid_walk}.items()
}
plots.table(
    [
        (
            graph,
            form,
            "; ".join(f"{x:.2f}" for x in pair),
            "; ".join(f"{x:.2f}" for x in shares[graph, form]),
            *(f"{x:.2f}" for x in rivals[graph]),
        )
        for (graph, form), pair in masses.items()
    ],
    columns=[
        "graph",
        "words in",
        "words that may follow: probability, two walks",
        "their share among the words",
        "share of a guess",
        "share of the last ten words",
    ],
)

# %% [markdown]
# In the published form SmolLM2 puts far less on the right words than Llama's `0.90`, and its share is hardly above that of recent words. On an undirected graph the word before is always allowed, so recency alone does well. With lines the ring is traced better than by recency, and the grid is not. We chose lines on other walks, by the probability. So the ring is our case, and what follows is about a weaker ability than the published one.
#
# ## 2. One statistic for every picture
#
# An eye finds rings in noise, and a plane of two components leaves most of the variance out. So measure all dimensions: do words that are near in the graph have vectors that are near?
#
# ### Exercise 2 · a match, and what chance gives (8 minutes, easy)


# %% tags=["exercise:utils.cases.walks.graph_match"]
def graph_match(
    means: Float[Tensor, "node d_model"],
    distances: Float[Tensor, "node node"],
    *,
    n: int,
    generator: torch.Generator,
) -> tuple[float, Float[Tensor, " draw"]]:
    """How well distances between vectors follow distances in a graph, and what chance gives.

    The correlation (Pearson's) over all pairs of two different nodes, each pair once, between the
    Euclidean distance of their vectors and their distance in the graph. For each of `n` draws the
    vectors are given to the nodes in a random order.

    Returns:
        The correlation, and the correlations of the draws.

    Source: the permutation test of Mantel (1967).
    """
    ### BEGIN SOLUTION

    def match(vectors):
        apart = torch.cdist(vectors, vectors)[pairs[0], pairs[1]]
        return torch.corrcoef(torch.stack([apart, distances[pairs[0], pairs[1]]]))[0, 1]

    pairs = torch.triu_indices(len(means), len(means), offset=1)
    orders = [torch.randperm(len(means), generator=generator) for _ in range(n)]
    return match(means).item(), torch.stack([match(means[order]) for order in orders])
    ### END SOLUTION


# %% tags=["check"]
graph_match = lesson_54.check_graph_match(graph_match)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.triu_indices(n, n, offset=1)` gives each pair once. `torch.cdist(x, x)` has all distances, and `torch.corrcoef` of two stacked rows has the correlation at `[0, 1]`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# What is permuted is nodes, and never pairs: pairs that share a node are not independent. `means[torch.randperm(len(means), generator=generator)]` gives the vectors to the nodes in a random order.
#
# </details>

# %%
matched = {}
for (graph, form), pair in gate.items():
    target = walks.hops((ring_walk if graph == "ring" else grid_walk)(1).adjacency)
    for layer, each in zip((16, LAYER), pair[1][0].cpu(), strict=True):  # the second walk
        matched[graph, form, layer] = graph_match(each, target, n=400, generator=seeded(0))
plots.table(
    [
        (
            *key,
            f"{value:.2f}",
            f"{draws.quantile(0.95):.2f}",
            f"{p:.3f}" if (p := (draws >= value).float().mean()) else "below 0.003",
        )
        for key, (value, draws) in matched.items()
    ],
    columns=["graph", "words in", "layer", "match", "95% of permuted labels below", "p"],
)

# %% [markdown]
# With lines the match is **0.70** for the ring at layer 24, and as high for the grid: no permutation of 400 comes near. At layer 16 the match is small. So Park's picture replicates in a model of 135M, even for the grid, which it traces no better than recency would.
#
# The test says that the graph is *in* the vectors. It does not say how it got there.

# %% tags=["numbers"]
claim("ring, lines, layer 24", matched["ring", "lines", LAYER][0], text=0.70, within=0.1)
for graph in ("ring", "grid"):
    value, draws = matched[graph, "lines", LAYER]
    assert value > 0.4 and (draws >= value).float().mean() < 0.01
    assert matched[graph, "lines", 16][0] < value - 0.2
assert min(shares["ring", "lines"]) > rivals["ring"][1] + 0.05
assert sum(shares["grid", "lines"]) / 2 < rivals["grid"][1] + 0.15
assert sum(shares["ring", "spaces, as published"]) / 2 < rivals["ring"][1] + 0.12
assert min(masses["ring", "lines"]) > 0.25 and max(masses["grid", "lines"]) < 0.3
assert sum(masses["ring", "lines"]) > sum(masses["ring", "spaces, as published"]) + 0.1

# %% [markdown]
# ## 3. What else draws a ring?
#
# Take a model away altogether. Give each word a random vector, follow the same walk, and at each step add something simple:
#
# - **word before**: the vector of the word before. A previous-token head would do that. (Arditi's null: he adds the mean of all neighbours.)
# - **words after**: the mean of the words that may follow. A model that predicts them may hold that. A second version (*elsewhere*) has it in directions of its own, as where a model writes what to say and not what it read.
# - **recent words**: the mean of the last ten words. On a ring, a walk stays in one region for a while.
# - **word alone**: nothing, the control.


# %%
@cache
def twin_walk(i: int) -> Walk:
    """A walk on a directed graph of eight nodes; see below."""
    return write_walk(model, walks.twin_graph(8, generator=seeded(i)), 200, seed=i)


def drawn(walk: Walk) -> dict[str, Tensor]:
    return walks.accounts(walk.nodes, walk.adjacency, d=576, last=100, generator=seeded(5))


walks.maps(
    {name: drawn(ring_walk(0))[name] for name in ("word before", "words after", "recent words")},
    ring_walk(0).adjacency,
    names(ring_walk(0)),
    title="What do random vectors draw, without a model?",
)

# %% [markdown]
# The first two draw the ring, and *recent words* bend it. All three would pass exercise 2's test (the table below has their matches). A permutation test asks "graph or no graph?", and these accounts differ in *why*. On a ring nothing can tell the first two apart: the words that may come before are the words that may come after.
#
# We need a graph where they differ. In a **twin graph** every step is a one-way street. Each node has two successors, which it shares with one other node (its twin by successors), and two predecessors, which it shares with *another* node (its twin by predecessors).

# %%
diagram(
    {
        "A": (0, 1),
        "B": (0, 0),
        "C": (1.5, 1),
        "D": (1.5, 0),
        "twins by successors:<br>A and B": (0, -1),
        "twins by predecessors:<br>C and D": (1.5, -1),
    },
    [("A", "C"), ("A", "D"), ("B", "C"), ("B", "D")],
    title="One piece of a twin graph: A and B are alike in what follows, C and D in what came before",
)

# %% [markdown]
# ### Exercise 3 · two distances that can disagree (7 minutes, easy)


# %% tags=["exercise:utils.cases.walks.overlap_distances"]
def overlap_distances(
    adjacency: Float[Tensor, "node node"],
) -> tuple[Float[Tensor, "node node"], Float[Tensor, "node node"]]:
    """How little two nodes share of where a walk comes from, and of where it goes to.

    The distance by predecessors is 1 less the share of common ones: common predecessors of both
    nodes over all nodes that lead to one of them or both (0 for two nodes with the same). The
    distance by successors is the same for where the nodes lead to.

    Returns:
        By predecessors, by successors.
    """
    ### BEGIN SOLUTION

    def apart(sets):
        common = sets @ sets.T
        sizes = sets.sum(1)
        return 1 - common / (sizes[:, None] + sizes[None] - common)

    return apart(adjacency.T), apart(adjacency)
    ### END SOLUTION


# %% tags=["check"]
overlap_distances = lesson_54.check_overlap_distances(overlap_distances)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Row i of `adjacency` is the set of i's successors, column i that of its predecessors. For 0 and 1, `sets @ sets.T` counts what two rows have in common.
#
# </details>
# <details><summary>Hint 2</summary>
#
# How many are in one of two sets or both: the size of the first, plus that of the second, less what they have in common. Write a function of `sets` and call it for `adjacency.T` and for `adjacency`.
#
# </details>


# %%
def by_each(means: Tensor, adjacency: Tensor) -> tuple[float, float, float]:
    """The match with distances in steps, by predecessors, and by successors."""
    return tuple(
        float(graph_match(means.cpu(), distances, n=1, generator=seeded(0))[0])
        for distances in (walks.hops(adjacency), *overlap_distances(adjacency))
    )


sides = {
    (graph, name): by_each(means, walk.adjacency)
    for graph, walk in {"ring": ring_walk(0), "twin graph": twin_walk(0)}.items()
    for name, means in drawn(walk).items()
}
plots.table(
    [(graph, name, *(f"{x:+.2f}" for x in found)) for (graph, name), found in sides.items()],
    columns=[
        "graph",
        "account (random vectors)",
        "match by steps",
        "by predecessors",
        "by successors",
    ],
)

# %% [markdown]
# By steps, all accounts but *word alone* match the ring. By predecessors and by successors the ring has the *same* distances, so no statistic can decide there. On the twin graph *word before* and *words after* point in opposite directions, and *elsewhere* is the clearest. (Steps are counted the shorter way, whichever street is one-way. In the plain *words after*, a word's vector stands alone in its own mean, and is added in the means of its predecessors. So words one step apart come near too.)

# %% tags=["numbers"]
clear = sides["twin graph", "words after, elsewhere"]
assert clear[2] > 0.7 and clear[0] < 0.1 and clear[1] < 0.1
for name in ("word before", "words after", "recent words"):
    assert sides["ring", name][0] > 0.4 > sides["ring", "word alone"][0] + 0.1
before, after = sides["twin graph", "word before"], sides["twin graph", "words after"]
assert before[1] > before[2] + 0.3 and after[2] > after[1] + 0.3

# %%
predict(
    "54.twins",
    "SmolLM2 reads walks on a twin graph. Which words have similar vectors at layer 24?",
    choices=["twins by predecessors", "twins by successors", "both about equally"],
)

# %%
EVERY = list(range(2, N_LAYERS))
at_layers = []
for i in (0, 1):
    walk = twin_walk(i)
    means, _ = trace_walk(model, walk, layers=EVERY, last=100)
    at_layers.append(torch.tensor([by_each(each, walk.adjacency) for each in means]))
twins = torch.stack(at_layers)  # walk, layer, (steps, predecessors, successors)
final = twins[:, EVERY.index(LAYER)].mean(0)
gap = (final[2] - final[1]).item()
outcome(
    "54.twins",
    "twins by successors"
    if gap > 0.3
    else "twins by predecessors"
    if gap < -0.3
    else "both about equally",
)
plots.curves(
    {
        ("match", ""): {
            name: torch.stack([twins[..., k].mean(0), twins[..., k].amin(0), twins[..., k].amax(0)])
            for k, name in enumerate(["by steps", "by predecessors", "by successors"])
        }
    },
    at=EVERY,
    title="What came before, or what comes next?",
    x="layer",
).update_layout(legend_y=1.15)

# %% [markdown]
# The line is the mean of two walks, the band has both. Up to layer 18 there are matches by steps and by predecessors of at most about `0.3`, and permuted labels reach that, too: with eight words a weak picture cannot be seen. Block 18 writes something, and from layer 19 on words with the same successors have similar vectors: **0.66** at layer 19. By steps and by predecessors the match goes to about 0 or below, as it must: the three distances themselves go against each other (a perfect picture of successors has `-0.4` by steps). Of the accounts only *words after, elsewhere* has a high match by successors.
#
# So at the position where SmolLM2 predicts, the strong picture is of *what comes next*. It is not the mixing of neighbours by previous-token heads. A map would put words near each other that are a step apart, and that is not seen; a weak map beside the prediction is not excluded.

# %% tags=["numbers"]
successors = twins[..., 2].mean(0)
claim("by successors, layer 19", successors[EVERY.index(19)], text=0.66, within=0.09)
assert successors[: EVERY.index(19)].max() < 0.2
assert twins[:, EVERY.index(19) :, :2].max() < 0.3
for i in (0, 1):
    steps, _, after = (
        walks.hops(twin_walk(i).adjacency),
        *overlap_distances(twin_walk(i).adjacency),
    )
    rows, columns = torch.triu_indices(8, 8, offset=1)
    together = torch.stack([steps[rows, columns], after[rows, columns]])
    assert torch.corrcoef(together)[0, 1] < -0.2
    means, _ = trace_walk(model, twin_walk(i), layers=[16], last=100)
    _, draws = graph_match(means[0].cpu(), steps, n=200, generator=seeded(0))
    assert draws.quantile(0.95) > 0.2
assert 0.2 < twins[:, : EVERY.index(19), :2].max() < 0.45
assert gap > 0.5 and twins[:, EVERY.index(LAYER), 2].min() > 0.5

# %% [markdown]
# ## 4. Take heads out
#
# Arditi scored Llama's heads on repeated random tokens (lesson 1.1: induction score, previous-token score) and put 0 in the place of the first 32 of its 1,024 heads of each kind. The same share of SmolLM2's 270 heads is 8. The control: four draws of 8 other heads. `ranked_ablations` calls a function of the heads for each of these sets.
#
# On the ring we take two statistics, as on the twin graph: the match by steps, and the match by *overlap* (which words have the same neighbours; before and after are the same there).

# %%
predict(
    "54.heads",
    "Without the 8 induction heads, what happens to the task and to the ring's picture?",
    choices=[
        "both vanish",
        "the task nearly vanishes, and of the picture only the match by steps stays",
        "the task nearly vanishes, and the picture stays by both statistics",
    ],
)

# %%
repeated = repeated_tokens(
    32,
    batch=8,
    d_vocab=model.cfg.d_vocab,
    bos=model.tokenizer.bos_token_id,
    n_special=17,
    generator=seeded(0),
).to(model.cfg.device)
rankings = {
    # 31 tokens back from a token of the repeat stands the one that followed its first copy.
    "induction": top_heads(stripe_scores(model, repeated, back=31), 8),
    "previous token": top_heads(stripe_scores(model, repeated, back=1), 8),
}


def without(heads: list[Head]) -> list[float]:
    """Means over two walks: ring's task, matches by steps and overlap; twin graph's task and match."""
    found = []
    for i in (0, 1):
        row = []
        for walk, kinds in ((ring_walk(i), (0, 2)), (twin_walk(i), (2,))):
            hooks = walks.zero_hooks(heads)
            means, mass = trace_walk(model, walk, layers=[LAYER], last=100, hooks=hooks)
            each = by_each(means[0], walk.adjacency)
            row += [mass.mean().item(), *(each[kind] for kind in kinds)]
        found.append(row)
    return torch.tensor(found).mean(0).tolist()


every_head = [(layer, head) for layer in range(N_LAYERS) for head in range(N_HEADS)]
sweep = ranked_ablations(without, rankings, size=8, n_draws=4, pool=every_head, generator=seeded(0))
intact = without([])
rows = [("no head", intact), *((kind, each) for kind, all_ in sweep.items() for each in all_)]
task, ring_left, overlap_left = sweep["induction"][0][:3]
outcome(
    "54.heads",
    "both vanish"
    if ring_left < 0.25
    else "the task nearly vanishes, and of the picture only the match by steps stays"
    if overlap_left < 0.5 * intact[2]
    else "the task nearly vanishes, and the picture stays by both statistics",
)
plots.table(
    [
        (f"{kind}, 8" if kind != "no head" else kind, *(f"{x:.2f}" for x in row))
        for kind, row in rows
    ],
    columns=[
        "without",
        "ring: task",
        "ring: match by steps",
        "ring: by overlap",
        "twin graph: task",
        "twin graph: match by successors",
    ],
)

# %% [markdown]
# Without 8 induction heads little is left of the task, on both graphs, and 8 random heads cost much less. That replicates. On the twin graph the picture of successors goes with the task. Without previous-token heads it falls by half. A likely reason is that induction heads need what these write; that is not tested here.
#
# On the *ring* a match by steps of **0.46** stays, and a draw of random heads can lower it nearly as far. By overlap the picture goes with the task, as on the twin graph, and no random draw does that. So the picture of the ring has two parts. One is of neighbours in common, and it hangs on induction heads. The other is of steps, and it outlives the task.
#
# What is the second part? *Recent words* is one account that fits: without induction heads a model may still hold the last few words, and on a ring these are near. (That was not tested further, and no account of section 3 gives both matches of the intact ring.)
#
# For comparison, our statistic on the coordinates that Arditi published (two components, 4 x 4 grid, `Llama-3.1-8B`): `0.89` intact, `0.86` without induction heads, `0.16` without previous-token heads, and `0.88` for his mixed random vectors. There, too, the picture outlives the task (`0.90` to `0.39`).
# But in Llama it hangs on previous-token heads; with lines, SmolLM2's ring stays without them. This is no fair test of his mixing, since here the word before stands two positions back. *Going deeper* runs the published form.

# %% tags=["numbers"]
claim("ring without induction heads", ring_left, text=0.46, within=0.06)
assert task < 0.15 and sweep["induction"][0][3] < 0.2 and sweep["induction"][0][4] < 0.2
assert sweep["previous token"][0][1] > 0.5 and intact[4] > 0.6
assert min(row[0] for row in sweep["random"]) > task + 0.1
assert min(row[4] for row in sweep["random"]) > 0.5
assert overlap_left < 0.1 and intact[2] > 0.2
assert min(row[2] for row in sweep["random"]) > overlap_left + 0.08

# %% [markdown]
# ## 5. Is the picture used?
#
# Ransome's reply: find the subspace of the nodes' means, remove it from the stream, and see whether the task suffers more than without a random subspace of the same rank. Eight means less their centre span seven dimensions.
#
# ### Exercise 4 · ablate a subspace (9 minutes, medium)


# %% tags=["exercise:utils.cases.walks.subspace_hooks"]
def subspace_hooks(
    directions: Float[Tensor, "rank d_model"],
    centre: Float[Tensor, " d_model"],
    *,
    layer: int,
    positions: Int[Tensor, " step"],
) -> list[tuple[str, Callable]]:
    """One pair (name, hook) that ablates a subspace of the stream before block `layer`.

    At `positions`, the stream's difference from `centre` loses its projection onto the space that
    `directions` span; the rest of it, and other positions, stay as they are.

    Args:
        directions: any basis of the subspace: independent, of any length, at any angles.
        centre: the point that all streams are moved to within the subspace.
    """
    ### BEGIN SOLUTION
    basis = torch.linalg.qr(directions.T).Q

    def hook(resid, hook):
        resid = resid.clone()
        apart = resid[:, positions] - centre
        resid[:, positions] -= apart @ basis @ basis.T
        return resid

    return [(f"blocks.{layer}.hook_resid_pre", hook)]
    ### END SOLUTION


# %% tags=["check"]
subspace_hooks = lesson_54.check_subspace_hooks(subspace_hooks)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `x @ d @ d.T` is a projection only if the columns of d are of length 1 and at right angles. `torch.linalg.qr(directions.T).Q` has such columns, which span the same space.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In the hook: clone the stream; `apart = resid[:, positions] - centre`; subtract from `resid[:, positions]` the projection of `apart`, and not more. Return the new stream.
#
# </details>

# %% [markdown]
# The subspace is found on one walk, and ablated on another walk on the same graph with the same words. Three controls: a random subspace of seven dimensions; the subspace of *other words* on the same graph; and seven directions in which the visits to *one* word differ from each other most (the principal components within words), which hold a good part of the variance, too.

# %%
predict(
    "54.subspace",
    "What does ablating the subspace of the means at layer 18, just before block 18, cost the task?",
    choices=["next to nothing", "some, far less than at layer 24", "about as much as at layer 24"],
)

# %%
AT = [16, 18, 24]


def trace_visits(walk: Walk) -> Tensor:
    """At the last 100 steps, the stream before block 24 less the mean over visits to its word."""
    name = f"blocks.{LAYER}.hook_resid_pre"
    with torch.no_grad():
        _, cache = model.run_with_cache(walk.tokens[None], names_filter=name)
    stream, nodes = cache[name][0, walk.reads[-100:]], walk.nodes[-100:]
    means = torch.stack([stream[nodes == node].mean(0) for node in range(len(walk.words))])
    return stream - means[nodes]


def subspace_costs(i: int) -> dict[tuple[str, int], tuple[float, float]]:
    """(subspace, layer) -> the share of the variance that it holds, and the task without it."""
    graph = twin_walk(i).adjacency
    new = write_walk(model, graph, 200, seed=i + 100, words=twin_walk(i).words)
    other = write_walk(model, graph, 200, seed=i + 200)
    ours, _ = trace_walk(model, twin_walk(i), layers=AT, last=100)
    theirs = trace_walk(model, other, layers=[LAYER], last=100)[0][0]
    places = [f"blocks.{layer}.hook_resid_pre" for layer in AT]
    with torch.no_grad():
        _, cache = model.run_with_cache(new.tokens[None], names_filter=places)
    rank = len(graph) - 1
    random = torch.randn(rank, ours.shape[-1], generator=seeded(i)).to(ours)
    found = {("nothing", 0): (0.0, trace_walk(model, new, layers=[0], last=100)[1].mean().item())}
    for k, layer in enumerate(AT):
        centre = ours[k].mean(0)
        spread = cache[places[k]][0, new.reads[-100:]] - centre
        subspaces = {"of these words": ours[k, :-1] - centre}
        if layer == LAYER:
            subspaces["of other words"] = theirs[:-1] - theirs.mean(0)
            subspaces["random"] = random
            visits = trace_visits(twin_walk(i))
            subspaces["within words"] = torch.linalg.svd(visits, full_matrices=False).Vh[:rank]
        for name, directions in subspaces.items():
            hooks = subspace_hooks(directions, centre, layer=layer, positions=new.reads)
            _, mass = trace_walk(model, new, layers=[0], last=100, hooks=hooks)
            basis = torch.linalg.qr(directions.T).Q
            share = (spread @ basis).square().sum() / spread.square().sum()
            found[name, layer] = (share.item(), mass.mean().item())
    return found


each = [subspace_costs(i) for i in (0, 1)]
costs = {key: torch.tensor([one[key] for one in each]) for key in each[0]}
task = {key: value[:, 1].mean().item() for key, value in costs.items()}
full, here, late = task["nothing", 0], task["of these words", 18], task["of these words", LAYER]
ratio = (full - here) / (full - late)
outcome(
    "54.subspace",
    "next to nothing"
    if ratio < 0.15
    else "some, far less than at layer 24"
    if ratio < 0.6
    else "about as much as at layer 24",
)
plots.table(
    [
        (
            name,
            layer or "",
            f"{value[:, 0].mean():.0%}" if layer else "",
            " and ".join(f"{x:.2f}" for x in value[:, 1].tolist()),
        )
        for (name, layer), value in costs.items()
    ],
    columns=["subspace", "layer", "share of the variance", "task without it, two graphs"],
)

# %% [markdown]
# Ransome's result replicates: without the subspace of layer 24 the task falls from **0.46** to about a third of that, and a random subspace of the same rank costs nothing. But look at the other rows.
#
# - The random subspace holds about 1% of the variance, and ours about two thirds. That control could not fail.
# - At layer 16 the subspace holds nearly as much of the variance, and the task loses about a fifth.
# - At layer 18 it costs as much as at layer 24, and there is **no picture of successors** at layer 18.
# - The directions *within words* are the fairer control. They hold about half of the variance, and cost something, less than ours.
# - The subspace of *other words* on the same graph costs little at layer 24. A map of the graph that all words share would have cost something. (That subspace holds little of the variance, so this is a weak control, too.)
#
# So a subspace that is needed is not thereby a *picture* that is used. What does the task need in it? The picture is that twins lie together. So split the space in two: what twins **share** (three directions), and how twins **differ** from each other (four). An account by which the model reads its way off the picture, or off its prediction, needs the first part alone. If it needs to know *which* word it stands on, it needs the second.
#
# ### Exercise 5 · split the picture (9 minutes, medium)


# %% tags=["exercise:utils.cases.walks.twin_split"]
def twin_split(
    means: Float[Tensor, "node d_model"], adjacency: Float[Tensor, "node node"]
) -> tuple[Float[Tensor, "_ d_model"], Float[Tensor, "pair d_model"]]:
    """Split the space of the nodes' means: what twins by successors share, and how they differ.

    Twins are two nodes whose rows of `adjacency` are equal; every node has one twin.

    Returns:
        Independent directions that span what pairs share: the middles of the pairs, less the
        centre of all nodes. They sum to 0, so leave one of them out. And for each pair its
        difference.
    """
    ### BEGIN SOLUTION
    n = len(means)
    pairs = [
        (i, j) for i in range(n) for j in range(i + 1, n) if torch.equal(adjacency[i], adjacency[j])
    ]
    middles = torch.stack([(means[i] + means[j]) / 2 for i, j in pairs])
    apart = torch.stack([means[i] - means[j] for i, j in pairs])
    return (middles - means.mean(0))[:-1], apart
    ### END SOLUTION


# %% tags=["check"]
twin_split = lesson_54.check_twin_split(twin_split)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Find the pairs first: `torch.equal(adjacency[i], adjacency[j])` for i < j. Each pair has a middle and a difference.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The middles less `means.mean(0)` sum to 0, so the last one follows from the others: `[:-1]`. The differences of four pairs are independent as they are.
#
# </details>

# %%
predict(
    "54.split",
    "Layer 24: which part of the subspace does the task need?",
    choices=["what twins share", "how twins differ", "both, about equally"],
)

# %%
PARTS = ["what twins share", "how twins differ"]


def split_costs(i: int) -> dict[tuple[str, int, str], tuple[float, float]]:
    """(twins by, layer, part) -> the share of the variance that it holds, and the task without."""
    walk = twin_walk(i)
    new = write_walk(model, walk.adjacency, 200, seed=i + 100, words=walk.words)
    ours, _ = trace_walk(model, walk, layers=[18, LAYER], last=100)
    found = {}
    order = torch.randperm(8, generator=seeded(i + 300))
    pairings = {
        "successors": walk.adjacency,
        "predecessors": walk.adjacency.T,
        "chance": walk.adjacency[order],
    }
    for by, graph in pairings.items():
        for layer, means in zip((18, LAYER), ours, strict=True):
            apart = means - means.mean(0)
            for part, directions in zip(PARTS, twin_split(means, graph), strict=True):
                where = {"layer": layer, "positions": new.reads}
                hooks = subspace_hooks(directions, means.mean(0), **where)
                _, mass = trace_walk(model, new, layers=[0], last=100, hooks=hooks)
                basis = torch.linalg.qr(directions.T).Q
                held = (apart @ basis).square().sum() / apart.square().sum()
                found[by, layer, part] = (held.item(), mass.mean().item())
    return found


splits = [split_costs(i) for i in (0, 1)]
part_of = {key: torch.tensor([one[key] for one in splits]) for key in splits[0]}
loss_of = {key: full - value[:, 1].mean().item() for key, value in part_of.items()}
shared, own = (loss_of["successors", LAYER, part] for part in PARTS)
outcome(
    "54.split",
    "what twins share"
    if shared > 2 * own
    else "how twins differ"
    if own > 2 * shared
    else "both, about equally",
)
plots.table(
    [
        (
            by,
            layer,
            part,
            f"{value[:, 0].mean():.0%}",
            " and ".join(f"{x:.2f}" for x in value[:, 1].tolist()),
        )
        for (by, layer, part), value in part_of.items()
    ],
    columns=["twins by", "layer", "removed", "of the means' variance", "task, two graphs"],
)

# %% [markdown]
# At layer 24 the three directions that twins by successors share cost as much as all seven; the four others cost little. The splits by *predecessors* and by *chance* (random pairs) are the controls: there "how they differ" costs most, and it holds most of the variance. In all rows of layer 24 the cost goes with the variance, so the split shows *where* the variance is that the task needs: in what twins by successors share. It is not shown that the task needs it *as* a picture. At layer 18, before the picture, both parts of the split by successors cost: there it counts which word it stands on. (The parts are not at right angles, so shares can add up to more than 100%.)
#
# So on these two graphs the geometry of the late layers is no idle by-product: the task needs the part in which it lies. Nor does it look like a map that the model consults. It behaves like the *prediction*, which twins have in common, and a prediction without itself is none.

# %% tags=["numbers"]
share = {key: value[:, 0].mean().item() for key, value in costs.items()}
claim("task, nothing ablated", full, text=0.46, within=0.06)
assert 0.2 < late / full < 0.5 and ratio > 0.75
assert abs(task["random", LAYER] - full) < 0.03 and share["random", LAYER] < 0.03
assert share["of these words", LAYER] > 0.5 and share["of these words", 16] > 0.5
assert full - task["of these words", 16] < 0.3 * (full - late)
assert full - task["of other words", LAYER] < 0.3 * (full - late)
assert shared > 0.85 * (full - late) and own < 0.35 * (full - late)
assert min(loss_of["successors", 18, part] for part in PARTS) > 0.4 * (full - here)
for by in ("predecessors", "chance"):
    assert loss_of[by, LAYER, PARTS[1]] > 0.7 * (full - late)
at_24 = sorted((v[:, 0].mean().item(), loss_of[k]) for k, v in part_of.items() if k[1] == LAYER)
assert at_24[0][1] == min(cost for _, cost in at_24)
assert 0.2 * (full - late) < full - task["within words", LAYER] < 0.9 * (full - late)

# %% [markdown]
# ## 6. Over to you
#
# The picture of successors appears between layers 18 and 19, so block 18 writes it. Two of its nine heads do most of that. Which? `picture([...])` gives the match by successors at layer 19 without these heads, on one twin graph, and you have twelve calls besides the one below.
#
# ### Investigation · which two heads write the picture? (8 minutes, medium)

# %%
left = [13]  # one of them goes to `picture([])`


def picture(heads: Sequence[Head]) -> float | None:
    """The match by successors at layer 19 without these heads, each (layer, head)."""
    if not left[0]:
        print("The budget is spent: decide.")
        return None
    left[0] -= 1
    hooks = walks.zero_hooks(heads)
    means, _ = trace_walk(model, twin_walk(1), layers=[19], last=100, hooks=hooks)
    return round(by_each(means[0], twin_walk(1).adjacency)[2], 2)


print("all heads at work:", picture([]))

# %% tags=["solution-only"]
alone = [picture([(18, head)]) for head in range(N_HEADS)]
together = picture([(18, 6), (18, 7)])
print(alone, together)

# %% tags=["answer:writers"]
### BEGIN SOLUTION
writers = {(18, 6), (18, 7)}
### END SOLUTION

# %% tags=["check"]
writers = lesson_54.check_writers(writers)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Nine calls, one for each head of block 18, are in the budget. For which of them does the match fall?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Use what is left of the budget to take the best two out together.
#
# </details>

# %% tags=["numbers"]
order = torch.tensor(alone).argsort().tolist()
assert set(order[:2]) == {6, 7} and together < min(alone)
assert alone[order[2]] > 0.5

# %%
for kind, heads in rankings.items():
    print(f"{kind} heads, (layer, head):", heads)

# %% [markdown]
# Which kind are these two? Each alone leaves a part of the match, since both write the same thing. (One twin graph, and no other pair of heads: to go further, take out pairs.)
#
# ## Going deeper: the published form
#
# Words with spaces, one token a step, as in the papers. The word before now stands right before the position that predicts, so previous-token heads can mix it in. SmolLM2 does this task worse, so take it as a hint.


# %%
def spaced_ring(heads: list[Head]) -> list[float]:
    """Means over two walks in the published form: the task, and the match by steps."""
    found = []
    for i in (0, 1):
        walk, hooks = ring_walk(i, lines=False), walks.zero_hooks(heads)
        means, mass = trace_walk(model, walk, layers=[LAYER], last=100, hooks=hooks)
        found.append([mass.mean().item(), by_each(means[0], walk.adjacency)[0]])
    return torch.tensor(found).mean(0).tolist()


published = ranked_ablations(
    spaced_ring, rankings, size=8, n_draws=3, pool=every_head, generator=seeded(0)
)
in_spaces = [("no head", spaced_ring([]))]
in_spaces += [(f"{kind}, 8", row) for kind, rows in published.items() for row in rows]
plots.table(
    [(kind, *(f"{x:.2f}" for x in row)) for kind, row in in_spaces],
    columns=["without", "ring, published form: task", "match"],
)

# %% [markdown]
# Here the match falls to about a half without previous-token heads, as Arditi's account has it, and at least as far without induction heads, which in Llama leave the picture alone. But one draw of random heads lowers it nearly as much. So nothing is decided: in this form SmolLM2's picture is too weak for the question.

# %% tags=["numbers"]
plain_match = in_spaces[0][1][1]
assert published["previous token"][0][1] < 0.75 * plain_match
assert published["induction"][0][1] < 0.75 * plain_match
assert min(row[1] for row in published["random"]) < 0.75 * plain_match

# %% [markdown]
# ## The results

# %% tags=["results"]
plots.table(
    [
        (
            "words that may follow: share of the probability of all words",
            "; ".join(f"{sum(shares[g, 'lines']) / 2:.2f}, {g}" for g in ("ring", "grid")),
            "; ".join(
                f"{rivals[g][0]:.2f}, guess, {rivals[g][1]:.2f}, recent words" for g in rivals
            ),
            ".90 of all tokens, grid, 1,400 words (Llama-3.1-8B; Arditi)",
        ),
        (
            "match of vectors and graph",
            f"{intact[1]:.2f}, ring",
            "permuted labels: p < 0.01; random vectors and the word before: as high",
            ".89 (two components); .88, mixed random vectors",
        ),
        (
            "task and match without induction heads",
            f"{sweep['induction'][0][0]:.2f} and {sweep['induction'][0][1]:.2f}, ring",
            "random heads: "
            + "; ".join("{:.2f} and {:.2f}".format(*row[:2]) for row in sweep["random"]),
            ".39 and .86; random heads .88",
        ),
        (
            "the same without previous-token heads",
            "{:.2f} and {:.2f}, ring".format(*sweep["previous token"][0][:2]),
            "the same",
            ".28 and .16",
        ),
        (
            "task without the means' subspace, layer 24",
            f"{late:.2f} of {full:.2f}, twin graph",
            f"{task['random', LAYER]:.2f}, random; {full - own:.2f}, how twins differ; {here:.2f} at layer 18, where there is no picture",
            "the task suffers, random subspaces cost little (Ransome)",
        ),
    ],
    columns=["", "ours (SmolLM2-135M-Instruct)", "control", "published, with its model"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. Llama at layer 26 may hold a map, where SmolLM2 holds a prediction. What would the twin graph show for each? Who should run it?
# 2. Our ring outlived its task. Does that speak for or against "reorganised representations"?
# 3. Which subspace would be a fair control for the one of the means: same rank, same variance, or same layer?
# 4. Could a model that predicts next words well have *no* such picture at the position of the prediction?
#
# ## Common mistakes
#
# - Taking a small p for an explanation: it excludes "no graph", and no account of how the graph got there.
# - Choosing data on which rival accounts agree. An undirected graph has the same words before and after.
# - Permuting pairs instead of nodes, which makes the null too narrow.
# - Ablating a random subspace of equal rank and calling it a control, when it holds a hundredth of the variance.
# - Reading "the task needs this subspace" as "the model uses this picture".
#
# ## Where this breaks
#
# One model of 135M, which does the published task badly; words on lines, 200 steps, two walks of each graph; one layer, fixed in advance. Heads were ranked on random tokens and set to 0, as published. The published texts have one token a step, so that word and prediction share a position; ours keep them apart, which makes the
# picture cleaner and the comparison looser. At three other seeds (other words, walks and graphs) most numbers and orders above hold. These do not hold at one of the three each: random heads cost the task clearly less than induction heads do; the subspace of other words costs little; the split by predecessors or chance puts
# the cost into *how they differ*; the ring is traced better than by recent words. Without induction heads the ring's match by steps is `0.37` to `0.47`. On some graphs of twins the match by steps does not go against that by successors. Nothing here shows what Llama does: the twin graph has not been run there, as far as we know.
#
# ## Further reading
#
# - Park et al. (2025), *ICLR: In-Context Learning of Representations*, arXiv 2501.00070
# - Arditi (2026), *In-context learning of representations can be explained by induction circuits* (ICLR Blogposts); code and data: `andyrdt/iclr_induction`
# - Ransome (2026), *In context learning representations, byproduct or mechanism?* (Substack; read from its summary)
# - Olsson et al. (2022), *In-context Learning and Induction Heads*, arXiv 2209.11895
# - Xu et al. (2026), *Emergent Structured Representations Support Flexible In-Context Inference*, arXiv 2602.07794, another causal claim
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.3 · Pointers: binding and belief](53_pointers.ipynb) | **Next:** [5.5 · Grokking, and two ways to add](55_grokking.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/53_pointers.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/55_grokking.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("54")
