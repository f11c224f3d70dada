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
# # 4.4 · Transcoders and attribution graphs
#
# [![Open lesson 4.4 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/44_attribution_graphs.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.3 · Features of a real model, and of a random one](43_features.ipynb) | **Next:** [4.5 · Model diffing: what did fine-tuning add?](45_model_diffing.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/45_model_diffing.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. put a transcoder in the place of a real model's MLP, and say how much of the MLP it stands for, beside strong controls;
# 2. make a model linear on one prompt, draw its attribution graph, and prune it, with what is not explained kept in view;
# 3. audit such a graph: give it latents that mean nothing, and compare what it predicts with what happens.
#
# **Time** 75 minutes for the core, and 30 minutes for *Going deeper*. **Needs** lessons 4.2: TopK autoencoders; 1.3: direct effects.
# **Runs** in about a minute and a half on one core.
#
# **First, play.** A small transformer plays CountDown: it reaches a target from three numbers, and judges each try in a bracket, `( this works )` or `( not 15 )`. The third cell draws
# an **attribution graph** of its verdict: tokens at the bottom, the verdict on top, and between them the features of its six MLPs that had most influence (section 5 says what that is; the larger the dot, the more). Orange dots are errors: what the features miss. Point at a dot. Change one number of the text: which dots stay?

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
import json
import random
import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.chat.task import texts
from data.transcoders.task import one_try
from utils import plots
from utils.checks import lesson_44
from utils.checks.predict import outcome, predict
from utils.circuits.figures import diagram
from utils.features import cross_layer, figures, graphs
from utils.features.graphs import ERROR, FEATURE, LOGIT, AttributionGraph, Node, pruned
from utils.features.sae import loss_recovered
from utils.features.transcoders import (
    harvest_mlp,
    load_transcoder,
    losses_with_mlp,
    random_transcoder,
)
from utils.lesson import claim
from utils.models import load
from utils.reading.figures import typed

warnings.filterwarnings("ignore", message="A forward hook edited")
TRANSCODERS = root / "data" / "transcoders"
player = load("countdown/seed_0").requires_grad_(False)
small = [load_transcoder(TRANSCODERS / "countdown" / str(layer)) for layer in range(6)]
YES, NO = (player.tokenizer.convert_tokens_to_ids(word) for word in ("this", "not"))
VERDICT = {"yes": YES, "no": NO}  # the output: the logit of "this" less that of "not"


def ids(text: str) -> Tensor:
    """The tokens of a text, a word each, without BOS."""
    return torch.tensor(player.tokenizer.convert_tokens_to_ids(text.split()))


def at_bracket(n: int = 200, *, seed: int) -> tuple[list[Tensor], Tensor]:
    """What each MLP reads at the bracket of `n` texts, and which texts are hits."""
    drawn = one_try(n, generator=random.Random(seed))
    rows = [ids(text) for text, _ in drawn]
    ends = torch.tensor([len(row) for row in rows]).cumsum(0) - 1
    reads = [harvest_mlp(player, rows, layer=layer).x[ends] for layer in range(6)]
    return reads, torch.tensor([hit for _, hit in drawn])


def which(transcoders, reads: Sequence[Tensor]) -> list[Tensor]:
    """For each MLP 1 where a latent is active and 0 elsewhere, [text, latent]."""
    return [(each.encode(x) > 0).float() for each, x in zip(transcoders, reads, strict=True)]


first_reads, is_hit = at_bracket(seed=1)
active = which(small, first_reads)


def note(node: Node) -> str:
    """At which brackets of 200 texts the latent is active."""
    hits, misses = (active[node.layer][rows, node.latent].mean() for rows in (is_hit, ~is_hit))
    return f"active at the bracket of {hits:.0%} of hits and {misses:.0%} of misses"


def picture(graph: AttributionGraph, text: str, *, keep: float = 0.7):
    """The map of a graph's most influential features and errors."""
    output = (torch.arange(len(graph.nodes)) == len(graph.nodes) - 1).float()
    behind = graphs.influence(graph.effects, output)
    inner = graph.of(FEATURE, ERROR)
    notes = {i: note(node) for i, node in enumerate(graph.nodes) if node.kind == FEATURE}
    words = ["<bos>", *text.split()]
    what = {"shown": inner & pruned(behind * inner, keep=keep), "notes": notes}
    title = "Which features are behind the verdict?"
    return figures.attribution_map(graph, words, behind, title=title, **what)


def draw(text: str):
    """The graph of what was typed."""
    tokens = player.to_tokens(text)
    return picture(graphs.attribution_graph(player, tokens, small, **VERDICT), text)


TEXT = "so now make 15 from 12 7 4 : 12 + 7 = 19 - 4 = 15 ("
typed(draw, text=TEXT, label="text")

# %% [markdown]
# ## 1. What you are looking at
#
# An SAE rewrites activations at one place. It cannot say what an MLP *does*: how the features before the MLP become those after it. A **transcoder** (Dunefsky and colleagues, arXiv 2406.11944) is trained for that. It reads what
# the MLP reads (after the norm), and writes what the MLP writes, through a wide layer of which few **latents** are active. A latent that is active at a token is called a **feature** of the prompt here, as in the papers. A graph is of one prompt: with another target most of its features are others.

# %%
diagram(
    {
        "residual stream<br>norm": (0, 0),
        "MLP": (1.6, 0.6),
        "transcoder:<br>few latents active": (1.6, -0.6),
        "written to<br>the stream": (3.4, 0),
        "error = MLP -<br>transcoder": (3.4, -1.2),
    },
    [
        ("residual stream<br>norm", "MLP"),
        ("residual stream<br>norm", "transcoder:<br>few latents active", "encoder"),
        ("MLP", "written to<br>the stream"),
        ("transcoder:<br>few latents active", "written to<br>the stream", "decoder"),
        ("transcoder:<br>few latents active", "error = MLP -<br>transcoder"),
    ],
    marked=["transcoder:<br>few latents active"],
    title="A transcoder stands for an MLP, and what it misses is an error that can be kept",
)

# %% [markdown]
# We begin with one MLP of SmolLM2, and go on with all six of the player. (Transcoders of SmolLM2's 30 MLPs would not fit into this course; published graphs need them for every MLP.)
#
# ## 2. A stand-in for one MLP of SmolLM2
#
# The MLP of block 15 writes 576 numbers at each token. Its transcoder has 2,304 latents, of which 32 are active at a token, and was trained on SmolLM2's own text (`data/transcoders`). A **skip transcoder** (arXiv 2501.18823) has an affine
# map of the input besides: it writes `decoder(latents) + W x + b`. How good are they? As in lesson 4.2: put the stand-in in the MLP's place, and measure the loss on new text.
#
# ### Exercise 1 · put it in the MLP's place (10 minutes, medium)


# %% tags=["exercise:utils.features.transcoders.mlp_spliced_loss"]
@torch.no_grad()
def mlp_spliced_loss(
    model,
    tokens: Int[Tensor, "one pos"],
    stand_in: Callable[[Float[Tensor, "pos d_model"], Float[Tensor, "pos d_model"]], Tensor],
    *,
    layer: int,
) -> float:
    """The mean loss in nats a token of one text, with a stand-in for one MLP.

    The MLP of block `layer` reads `blocks.L.mlp.hook_in` and writes `blocks.L.hook_mlp_out`. At
    every position but the first, which is BOS, it writes what the stand-in gives instead.

    Args:
        tokens: the text, BOS first.
        stand_in: `stand_in(x, y)` gives [pos, d_model], from what the MLP reads and what it writes
            at the positions after BOS.
    """
    ### BEGIN SOLUTION
    read = {}

    def keep(x, hook):
        read["x"] = x[0, 1:]

    def put(y, hook):
        return torch.cat([y[:, :1], stand_in(read["x"], y[0, 1:])[None]], dim=1)

    hooks = [(f"blocks.{layer}.mlp.hook_in", keep), (f"blocks.{layer}.hook_mlp_out", put)]
    with model.hooks(fwd_hooks=hooks):
        logits = model(tokens)
    return torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:]).item()
    ### END SOLUTION


# %% tags=["check"]
mlp_spliced_loss = lesson_44.check_mlp_spliced_loss(mlp_spliced_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two hooks, `(name, function)`, in `model.hooks(fwd_hooks=[...])`. The first one runs earlier: it keeps what the MLP reads. The second returns what the MLP should have written.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A hook is `def put(y, hook)` with y of shape [1, pos, d_model]. Keep `y[:, :1]` for BOS, and `torch.cat` the stand-in's rows behind it, with `[None]` for the batch. The loss compares `logits[0, :-1]` with `tokens[0, 1:]`.
#
# </details>

# %% [markdown]
# Besides the two transcoders, five stand-ins compete:
#
# - the **mean** output, for a loss recovered of 0 (the MLP itself has 1);
# - an **affine map**, by least squares, from what the MLP reads to what it writes;
# - **random latents**: 2,304 latents that read random directions, 32 of them active, and what they write by least squares;
# - an **SAE of the output**, trained as the transcoder was, which *sees the MLP's output* and rewrites it;
# - **PCA** of the output with 32 components, which sees it too.
#
# The recipe of `data/transcoders` measured all seven on 100 held-out texts. With your function you measure four of them on 12 texts.

# %%
predict(
    "44.affine",
    "Of what the mean costs, how much does the affine map recover on the 100 texts?",
    choices=["almost nothing", "about a fifth", "about a half", "almost all"],
)

# %%
model = load()
device = model.cfg.device
LAYER = 15


def to_read(part: str, n: int, *, longest: int = 100) -> list[Tensor]:
    """The beginnings of `n` texts, from all over a split."""
    rows = texts(part)
    return [row[:longest] for row in rows[:: len(rows) // n][:n] if len(row) > 1]


plain, skip = (load_transcoder(TRANSCODERS / "smollm2" / name) for name in ("plain", "skip"))
seen, new = to_read("train", 60), to_read("held_out", 12)
x, y = harvest_mlp(model, seen, layer=LAYER)
affine_map = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1)], 1), y).solution
stand_ins = {
    "mean": lambda x, y_: y.mean(0).expand_as(y_),
    "transcoder": lambda x, _: plain(x),
    "skip transcoder": lambda x, _: skip(x),
    "affine map": lambda x, _: x @ affine_map[:-1] + affine_map[-1],
}
losses = losses_with_mlp(model, new, stand_ins, layer=LAYER, loss=mlp_spliced_loss)
ends = {"clean": losses["clean"], "ablated": losses["mean"]}
recovered = {name: loss_recovered(losses[name], **ends) for name in stand_ins}
report = json.loads((TRANSCODERS / "smollm2" / "report.json").read_text())
shipped, explained = report["recovered of mean"], report["explained"]
part = shipped["affine map"]
outcome(
    "44.affine",
    "almost nothing"
    if part < 0.1
    else "about a fifth"
    if part < 0.33
    else "about a half"
    if part < 0.67
    else "almost all",
)
plots.table(
    [
        (
            name,
            f"{explained[name.lower()]:.2f}",
            f"{shipped[name.lower()]:.2f}" if name != "mean" else "0",
            f"{recovered[name]:.2f}" if name in recovered else "",
        )
        for name in [
            *stand_ins,
            "random latents",
            "SAE of the output",
            "PCA 32 of the output",
        ]
    ],
    columns=[
        "in the MLP's place",
        "variance explained",
        "loss recovered, 100 texts",
        "yours, 12 texts",
    ],
)

# %% [markdown]
# On 100 texts the transcoder recovers **72%** of what the mean costs, and the skip transcoder **81%**. An affine map recovers **45%** without any latents, nearly half.
# A good-looking `0.7` must be read beside that, and beside **30%** for random latents. The SAE, which is shown the answer, recovers hardly more than the plain transcoder.
#
# Your column has the same order. Its sizes differ: 12 texts are few, and your affine map was fitted on 5,000 tokens, that of the recipe on 660,000.

# %% tags=["numbers"]
claim("100 texts, transcoder, %", 100 * shipped["transcoder"], text=72, within=1)
claim("100 texts, skip transcoder, %", 100 * shipped["skip transcoder"], text=81, within=1)
claim("100 texts, affine map, %", 100 * shipped["affine map"], text=45, within=1)
claim("100 texts, random latents, %", 100 * shipped["random latents"], text=30, within=1)
assert shipped["transcoder"] < shipped["sae of the output"] < shipped["skip transcoder"]
assert recovered["skip transcoder"] > recovered["transcoder"] > recovered["affine map"] > 0.1
assert 4500 < len(x) < 5500 and 655_000 < report["training tokens"] < 665_000

# %% [markdown]
# ## 3. Weights that no text changes
#
# Why a transcoder, and not an SAE? Because between two transcoders the path is linear. A feature of block l writes its activation times its row of the decoder into the stream. A feature of a later block m reads the stream through the norm: a product with the norm's weight (`gain`),
# divided by a denominator that depends on the text, and then a product with its column of the encoder. So the *direct effect* of the one on the other is
#
# ```
# activation of the source  x  virtual weight  /  denominator
# ```
#
# and the **virtual weight** is a number of the weights alone. (Between two SAEs stands an MLP, and the effect is another one at each input.)
#
# Point at the dots of MLP 3 above the bracket in the first figure. One of them, `3/450`, is active at the bracket of nearly all hits and of nearly no miss. Which later features does it drive through the stream, by the weights alone? In the last column: is the target active where the try is a hit?

# %%
EQUAL = 3, 450


def rate(layer: int, latent: int) -> str:
    """Of hits and of misses, the share of brackets where a latent is active."""
    hits, misses = (active[layer][rows, latent].mean() for rows in (is_hit, ~is_hit))
    return f"{hits:.0%} and {misses:.0%}"


driven = []
for layer in (4, 5):
    gain = player.blocks[layer].ln2.w
    V = small[3].W_dec @ (gain[:, None] * small[layer].W_enc)  # virtual weights, [source, target]
    for latent in V[EQUAL[1]].topk(3).indices.tolist():
        rank = 1 + int((V[:, latent] > V[EQUAL[1], latent]).sum())
        driven.append(
            (f"{layer}/{latent}", f"{V[EQUAL[1], latent]:.1f}", rank, rate(layer, latent))
        )
plots.table(
    driven,
    columns=[
        "target",
        "virtual weight",
        "3/450's rank among its 768 sources",
        "active at hits and misses",
    ],
)

# %% tags=["numbers"]
rates = [active[EQUAL[0]][rows, EQUAL[1]].mean() for rows in (is_hit, ~is_hit)]
assert rates[0] > 0.9 and rates[1] < 0.1

# %% [markdown]
# A large virtual weight says only what *could* happen: features that are never active together have virtual weights, too.
#
# ## 4. A model that is linear on one prompt
#
# For all effects on one prompt, all that is not linear is frozen:
#
# - every MLP is given: what it wrote on this prompt, which is the transcoder's features plus the **error** of the transcoder;
# - attention patterns are those of this prompt;
# - so are the denominators of all norms.
#
# The result is the **local replacement model**. On this prompt it computes what the model computes. What each node (embedding, feature, error) writes then reaches everything after it by a linear map, and gradients give that map.

# %%
diagram(
    {
        "embeddings": (0, 0),
        "attention,<br>pattern frozen": (1.6, 0),
        "norm, denominator<br>frozen": (3.2, 0.9),
        "pre-activations<br>of features": (5.4, 0.9),
        "given: features<br>+ error": (4.2, -0.9),
        "later blocks,<br>logits": (6.2, 0),
    },
    [
        ("embeddings", "attention,<br>pattern frozen"),
        ("attention,<br>pattern frozen", "norm, denominator<br>frozen"),
        ("norm, denominator<br>frozen", "pre-activations<br>of features", "encoder"),
        ("given: features<br>+ error", "later blocks,<br>logits"),
        ("attention,<br>pattern frozen", "later blocks,<br>logits"),
    ],
    marked=["given: features<br>+ error"],
    title="The local replacement model: MLPs are cut, and what they wrote is put in",
)

# %% [markdown]
# ### Exercise 2 · freeze it (12 minutes, hard)
#
# Four kinds of hooks: the embeddings, the denominators, the patterns, and each MLP's output are replaced; and what each MLP reads is kept for later.


# %% tags=["exercise:utils.features.graphs.linear_run"]
def linear_run(
    model,
    tokens: Int[Tensor, "batch pos"],
    cache,
    *,
    embeddings: Float[Tensor, "batch pos d_model"],
    writes: Sequence[Float[Tensor, "batch pos d_model"]],
) -> tuple[list[Float[Tensor, "batch pos d_model"]], Float[Tensor, "batch pos d_vocab"]]:
    """Run the model with all that is not linear frozen.

    Attention patterns and the norms' denominators are the cache's. The embeddings and what each MLP
    writes are given, so that results are linear in them, and gradients lead back to them.

    Args:
        cache: by name, of a clean run on the prompt, with `blocks.L.attn.hook_pattern`,
            `blocks.L.ln1.hook_scale`, `blocks.L.ln2.hook_scale` and `ln_final.hook_scale`.
        embeddings: in the place of `hook_embed`.
        writes: for each block, in the place of its `hook_mlp_out`.

    Returns:
        What each MLP reads (`mlp.hook_in`), by layer, and the logits.
    """
    ### BEGIN SOLUTION
    reads: list[Tensor] = []

    def put(value):
        return lambda _, hook: value

    def keep(x, hook):
        reads.append(x)

    hooks = [
        ("hook_embed", put(embeddings)),
        ("ln_final.hook_scale", put(cache["ln_final.hook_scale"])),
    ]
    for layer, written in enumerate(writes):
        block = f"blocks.{layer}."
        for name in ("attn.hook_pattern", "ln1.hook_scale", "ln2.hook_scale"):
            hooks.append((block + name, put(cache[block + name].detach())))
        hooks += [(block + "mlp.hook_in", keep), (block + "hook_mlp_out", put(written))]
    with model.hooks(fwd_hooks=hooks):
        logits = model(tokens)
    return reads, logits
    ### END SOLUTION


# %% tags=["check"]
linear_run = lesson_44.check_linear_run(linear_run)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A hook that returns a tensor replaces the activation; one that returns nothing leaves it. Make the replacing hook by a function, `def put(value): return lambda _, hook: value`, or every hook will see the loop's last value. Inside a hook, `hook.name` can be another name than the one that you gave (`hook_embed` is `embed.hook_out`): do not look values up by it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For each block: `attn.hook_pattern`, `ln1.hook_scale` and `ln2.hook_scale` from the cache, `hook_mlp_out` from `writes`, and `mlp.hook_in` to keep. Besides: `hook_embed` and `ln_final.hook_scale`. Detach nothing that was given as `embeddings` and `writes`.
#
# </details>

# %%
tokens = player.to_tokens(TEXT)
with torch.no_grad():
    clean, cache = player.run_with_cache(tokens)
leaves = [cache["hook_embed"], *(cache[f"blocks.{layer}.hook_mlp_out"] for layer in range(6))]
leaves = [each.clone().requires_grad_() for each in leaves]
_, logits = linear_run(player, tokens, cache, embeddings=leaves[0], writes=leaves[1:])
verdict = logits[0, -1, YES] - logits[0, -1, NO]
parts = [
    (grad * each).sum().item()
    for grad, each in zip(torch.autograd.grad(verdict, leaves), leaves, strict=True)
]
plots.table(
    [
        ("the model's", f"{(clean[0, -1, YES] - clean[0, -1, NO]):.3f}"),
        ("the linear replacement's", f"{verdict:.3f}"),
        ("the sum of all parts", f"{sum(parts):.3f}"),
        *(
            (f"of it: {n}", f"{p:.3f}")
            for n, p in zip(["embeddings", *map("MLP {}".format, range(6))], parts, strict=True)
        ),
    ],
    columns=["logit of `this` less logit of `not`", ""],
)

# %% [markdown]
# The three first numbers agree, as they must: that tests your code, and says nothing of the transcoders. On another prompt the frozen patterns and denominators would be wrong. The parts add up. Here a part is all that one MLP wrote; the graph splits it into features and an error at each position.
#
# ## 5. Influence, and what is worth showing
#
# `attribution_graph` gives an `AttributionGraph`. Its `nodes` are in order, the verdict last; each has a `kind` (embedding, feature, error or logit), `layer`, `position`, `latent` and `activation` (1 for all but features). It runs your `linear_run`, and takes the gradient of each active feature's pre-activation, and of the verdict, back to all that was written before. Its `effects[target, source]` are direct effects: a row of a feature adds up to its pre-activation less what biases add.
#
# How much is a node behind the verdict, on all paths? Take absolute effects, and divide each row by its sum: `A[target, source]` is then the share of the target's input that comes from the source. Along a path shares are multiplied, and paths are added:
# `A + A^2 + A^3 + ...`, which is `(I - A)^-1 - I`. The sum ends, since no path goes back. A node's **influence** is its entry in the output's row.
#
# ### Exercise 3 · influence (8 minutes, medium)


# %% tags=["exercise:utils.features.graphs.influence"]
def influence(
    effects: Float[Tensor, "target source"], weights: Float[Tensor, " node"]
) -> Float[Tensor, " node"]:
    """How much of the outputs every node is behind, directly and through all others.

    Rows of absolute effects are divided by their sums (a row of zeros stays). With that matrix A
    the influence is `weights @ (A + A^2 + A^3 + ...)`; in a graph without circles the powers end.

    Source: Ameisen et al. (2025).

    Args:
        effects: what each source adds to each target.
        weights: of the outputs (their probabilities, say), 0 for all other nodes.
    """
    ### BEGIN SOLUTION
    share = effects.abs() / effects.abs().sum(1, keepdim=True).clamp(min=1e-10)
    total, power = torch.zeros_like(weights), weights @ share
    while power.any():
        total, power = total + power, power @ share
    return total
    ### END SOLUTION


# %% tags=["check"]
influence = lesson_44.check_influence(influence)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Do not multiply matrices: start with the vector `weights @ A`, add it to the total, multiply it by A again, and stop when it is zero everywhere.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A row of zeros would be divided by 0: `.clamp(min=1e-10)` on its sum.
#
# </details>

# %% [markdown]
# **Pruning** keeps the fewest features and errors that make up a share of all their influence, usually `80%` (`pruned` does that; the published tool prunes edges as well). Two scores say how much is explained:
#
# - **replacement score**: of the influence of embeddings and errors, where all paths begin, the part of the embeddings;
# - **completeness score**: of what goes into a node, the part that does not come from an error, averaged with influence as the weight.

# %%
graph = graphs.attribution_graph(player, tokens, small, **VERDICT, run=linear_run)
n_inner = int(graph.of(FEATURE, ERROR).sum())
output = (torch.arange(len(graph.nodes)) == len(graph.nodes) - 1).float()
behind, inner = influence(graph.effects, output), graph.of(FEATURE, ERROR)
kept = inner & pruned(behind * inner, keep=0.8)
scores = graphs.graph_scores(graph)
plots.table(
    [
        ("features and errors", n_inner),
        ("kept for 80% of their influence", int(kept.sum())),
        ("of these, errors", int((kept & graph.of(ERROR)).sum())),
        ("replacement score", f"{scores.replacement:.2f}"),
        ("completeness score", f"{scores.completeness:.2f}"),
    ],
    columns=["the graph of the first figure", ""],
)

# %% [markdown]
# About **50** of more than a thousand nodes hold `80%` of the influence. The errors hold little, and stay in the picture (orange): an edge from an error is a cause that this graph cannot name. Both scores are high, **0.91** and **0.97**. How good is that?

# %% tags=["numbers"]
claim("nodes kept", int(kept.sum()), text=50, within=7)
claim("replacement score", scores.replacement, text=0.91, within=0.02)
claim("completeness score", scores.completeness, text=0.97, within=0.01)
assert abs(verdict - sum(parts)) < 0.001 and n_inner > 1000


def in_picture(graph: AttributionGraph) -> set:
    """What the first figure shows of a graph, without activations."""
    end = (torch.arange(len(graph.nodes)) == len(graph.nodes) - 1).float()
    some = graph.of(FEATURE, ERROR)
    rows = (some & pruned(influence(graph.effects, end) * some, keep=0.7)).nonzero()[:, 0]
    return {graph.nodes[i][:4] for i in rows.tolist()}


sixteen = player.to_tokens(TEXT.replace("make 15", "make 16"))
other = in_picture(graphs.attribution_graph(player, sixteen, small, **VERDICT))
assert len(other & in_picture(graph)) < 0.5 * len(other)

# %% [markdown]
# ## 6. Audit: the same graph of random latents
#
# Would the graph of latents that mean nothing look different? Take the control of section 2 for each MLP of the player: 768 latents that read **random directions**, 8 of them active, writing what least squares allow. They, too, leave an error; the graph is drawn in the same way.

# %%
predict(
    "44.random",
    "The completeness score of graphs of random latents?",
    choices=["below 0.3", "0.3 to 0.6", "0.6 to 0.85", "above 0.85"],
)

# %%
fit_on, fresh = (
    [ids(text) for text, _ in one_try(300, generator=random.Random(i))] for i in (99, 98)
)
control, fits = [], {"trained": [], "random": []}
for layer, transcoder in enumerate(small):
    draw_of = torch.Generator().manual_seed(layer)
    seen = harvest_mlp(player, fit_on, layer=layer)
    control.append(random_transcoder(*seen, 768, k=8, generator=draw_of))
    x, y = harvest_mlp(player, fresh, layer=layer)
    total = (y - y.mean(0)).square().sum()
    for name, each in (("trained", transcoder), ("random", control[-1])):
        fits[name].append(1 - ((each(x) - y).square().sum() / total).item())

sets = {"trained": small, "random": control}
prompts = one_try(8, generator=random.Random(0))
drawn = {
    name: [
        graphs.attribution_graph(player, player.to_tokens(text), each, **VERDICT, run=linear_run)
        for text, _ in prompts
    ]
    for name, each in sets.items()
}
score = {name: torch.tensor([graphs.graph_scores(g) for g in each]) for name, each in drawn.items()}


other_reads, is_other_hit = at_bracket(seed=2)


def best_detector(transcoders) -> tuple[int, int, float, float, int]:
    """The layer and latent that tell hits best on 200 texts, how often it is active at hits and

    at misses of 200 others, and how many latents are active in 90 points more of the hits there.
    """
    gaps = [
        torch.stack(
            [each[rows].mean(0) - each[~rows].mean(0) for each in which(transcoders, reads)]
        )
        for reads, rows in ((first_reads, is_hit), (other_reads, is_other_hit))
    ]
    layer, latent = divmod(int(gaps[0].argmax()), gaps[0].shape[1])
    at = which(transcoders, other_reads)[layer][:, latent]
    shown = [at[rows].mean().item() for rows in (is_other_hit, ~is_other_hit)]
    return layer, latent, *shown, int((gaps[1] > 0.9).sum())


detector = {name: best_detector(each) for name, each in sets.items()}
complete = score["random"][:, 1].mean().item()
outcome(
    "44.random",
    "below 0.3"
    if complete < 0.3
    else "0.3 to 0.6"
    if complete < 0.6
    else "0.6 to 0.85"
    if complete < 0.85
    else "above 0.85",
)
plots.table(
    [
        (
            name,
            f"{min(fits[name]):.2f} to {max(fits[name]):.2f}",
            *(f"{value:.2f}" for value in score[name].mean(0).tolist()),
            "{}/{}: {:.0%} and {:.0%}".format(*detector[name][:4]),
            detector[name][4],
        )
        for name in sets
    ],
    columns=[
        "latents",
        "variance explained, by MLP, new texts",
        "replacement",
        "completeness",
        "best detector of hits: active at hits, misses",
        "latents with a gap over 90 points",
    ],
)

# %% [markdown]
# Graphs of random latents are **0.92** complete; those of trained ones **0.98** (means of eight prompts). Replacement tells them further apart, **0.74** and **0.92**. So a completeness of `0.9` is no evidence that the features of a graph mean anything, at least in a model this narrow.
#
# Do single latents tell the two apart? The best one of each kind does so hardly: the trained one is active at the bracket of all hits and of nearly no miss, and the best of 4,608 random ones at most hits. (Both were chosen on other texts.) Their *number* tells more: several trained latents have a gap of more than 90 points between hits and misses, and hardly any random one.

# %% tags=["numbers"]
claim("random latents, completeness", score["random"][:, 1].mean(), text=0.92, within=0.02)
claim("trained latents, completeness", score["trained"][:, 1].mean(), text=0.98, within=0.01)
claim("random latents, replacement", score["random"][:, 0].mean(), text=0.74, within=0.06)
claim("trained latents, replacement", score["trained"][:, 0].mean(), text=0.92, within=0.02)
assert detector["trained"][2] > 0.97 and detector["random"][2] > 0.55
assert max(detector["trained"][3], detector["random"][3]) < 0.15
assert detector["trained"][4] >= 4 and detector["random"][4] <= 2
assert (score["trained"] > score["random"]).all()

# %% [markdown]
# ## 7. Suppress features: what the graph predicts, and what happens
#
# A graph is a set of predictions. If features are ablated, the graph says what the verdict loses. A node whose sources add less changes by that amount over its own activation, and passes this share on.
#
# ### Exercise 4 · what the graph predicts (10 minutes, medium)


# %% tags=["exercise:utils.features.graphs.predicted_change"]
def predicted_change(graph, nodes: Sequence[int], *, factor: float = 0.0) -> float:
    """By the graph, the change of the logit difference when features are set to a multiple.

    These change by the share `factor - 1`. Any other feature changes by the share: the sum over
    its sources of effect times the source's share, divided by its activation. The logit
    difference changes by that sum itself. Embeddings and errors do not change.

    Args:
        graph: an `AttributionGraph`.
        nodes: numbers of features in `graph.nodes`.
        factor: 0 ablates them, -1 turns them round.
    """
    ### BEGIN SOLUTION
    change = torch.zeros(len(graph.nodes))
    for i, node in enumerate(graph.nodes):  # sources come before their targets
        if i in nodes:
            change[i] = factor - 1
        elif node.kind in (FEATURE, LOGIT):
            change[i] = graph.effects[i] @ change / node.activation
    return change[-1].item()
    ### END SOLUTION


# %% tags=["check"]
predicted_change = lesson_44.check_predicted_change(predicted_change)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Keep for each node the share by which it changes, 0 at first. Nodes come in order: when you reach a node, all its sources are done.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A suppressed node changes by `factor - 1`. Any other feature by `effects[i] @ change`, divided by its activation; the last node, whose activation is 1, by the same sum. Embeddings and errors do not change.
#
# </details>

# %% [markdown]
# `actual_change` does the same in the *real* model, with nothing frozen: it adds to the MLP's output the change of what the features write, and all later MLPs, norms and patterns respond. The published test takes a **supernode**, a set of features of most influence, and turns it round (factor -1).
#
# We take the ten features of most influence in each graph, and *all* factors from 2 to -1. By the graph the verdict then changes along a straight line.

# %%
predict(
    "44.dose",
    "The graph predicts that the verdict nearly doubles if its ten features are doubled. What happens?",
    choices=["about what is predicted", "about a half of it", "next to nothing"],
)

# %%
FACTORS = [2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0]
hits = torch.tensor([hit for _, hit in prompts])


def suppressed(
    graphs_of: Sequence[AttributionGraph], transcoders, *, seed: int = 0
) -> dict[str, Tensor]:
    """Changes of the verdict by the graph and in the model, [prompt, case, 2]."""
    found = {"ten": [], "single": [], "others": []}
    draws = torch.Generator().manual_seed(seed)
    for each, (text, _) in zip(graphs_of, prompts, strict=True):
        nodes, tokens = each.nodes, player.to_tokens(text)
        last = (torch.arange(len(nodes)) == len(nodes) - 1).float()
        features = each.of(FEATURE)
        top = (influence(each.effects, last) * features).topk(10).indices.tolist()
        total, others = sum(nodes[i].activation for i in top), []
        for i in torch.randperm(len(nodes), generator=draws).tolist():
            here = features[i] and nodes[i].position == nodes[-1].position
            if here and i not in top and total > 0:
                others.append(i)
                total -= nodes[i].activation
        cases = {
            "ten": [(top, factor) for factor in FACTORS],
            "single": [([i], 0.0) for i in top[:3]],
            "others": [(others, 0.0), (others, -1.0)],
        }
        for kind, some in cases.items():
            rows = []
            for chosen, factor in some:
                which_nodes = [nodes[i] for i in chosen]
                real = graphs.actual_change(
                    player, tokens, transcoders, which_nodes, factor=factor, **VERDICT
                )
                rows.append((predicted_change(each, chosen, factor=factor), real))
            found[kind].append(rows)
    return {kind: torch.tensor(rows) for kind, rows in found.items()}


changes = {name: suppressed(drawn[name], each) for name, each in sets.items()}
with torch.no_grad():
    ends = [player(player.to_tokens(text))[0, -1] for text, _ in prompts]
verdicts = torch.stack([logits[YES] - logits[NO] for logits in ends])
doubled = changes["trained"]["ten"][:, 0] * verdicts.sign()[:, None]
grown = (doubled[:, 1].mean() / doubled[:, 0].mean()).item()
outcome(
    "44.dose",
    "next to nothing"
    if grown < 0.25
    else "about a half of it"
    if grown < 0.75
    else "about what is predicted",
)


def lines_for(rows: Tensor) -> dict[str, Tensor]:
    """The mean verdict of some prompts at each factor."""
    mean = changes["trained"]["ten"][rows].mean(0) + verdicts[rows].mean()
    return {"by the graph": mean[:, 0], "in the model": mean[:, 1]}


plots.curves(
    {("verdict", "hits"): lines_for(hits), ("verdict", "misses"): lines_for(~hits)},
    at=FACTORS,
    title="Does the verdict follow the graph's line?",
    x="factor on the ten features",
).update_layout(height=400, legend_y=-0.25)

# %%
moved = {
    (name, hit, factor): changes[name]["ten"][hits == hit][:, FACTORS.index(factor)]
    .mean(0)
    .tolist()
    for name in sets
    for hit in (True, False)
    for factor in FACTORS
}
for name in sets:
    for hit in (True, False):
        mine = hits == hit
        moved[name, hit, "single"] = changes[name]["single"][mine].mean((0, 1)).tolist()
        for k, kind in enumerate(("others, 0", "others, -1")):
            moved[name, hit, kind] = changes[name]["others"][mine][:, k].mean(0).tolist()
ROWS = {
    "one of the first three, ablated": "single",
    "ten, times 2": 2.0,
    "ten, ablated": 0.0,
    "ten, times -1": -1.0,
    "other features at the bracket, times -1": "others, -1",
}
plots.table(
    [
        (name, label) + tuple(f"{x:+.1f}" for hit in (True, False) for x in moved[name, hit, key])
        for name in sets
        for label, key in ROWS.items()
    ],
    columns=[
        "latents",
        "features",
        "hits: by the graph",
        "in the model",
        "misses: by the graph",
        "in the model",
    ],
)

# %% [markdown]
# The graph predicts a line, and the verdict is a **switch**. Doubled features add less than a tenth of what is predicted. Ablated ones do more than predicted at hits (**-14** against **-9**); at misses they do less here, but not with one of three other draws of puzzles. One feature alone does between a tenth and a third of its prediction: near a saturated verdict, small changes do little. The graph is a local linear account, and the verdict is not linear at this scale.
#
# At factor -1 prediction and model agree within a half. But look at what else does: the verdict is *mirrored* (a guess of "minus twice the verdict", without a graph, errs by less than the graph does), it is mirrored for **random latents** too, and *other* features of the same total activation come far. So the published test, a supernode turned round, can hardly fail here. What the graph gets right here is the sign of what ablations do.

# %% tags=["numbers"]
claim("ten ablated, hits, model", moved["trained", True, 0.0][1], text=-14, within=2.1)
claim("ten ablated, hits, graph", moved["trained", True, 0.0][0], text=-9, within=1.3)
assert grown < 0.1
assert moved["trained", False, 0.0][1] < 1.2 * moved["trained", False, 0.0][0]
singles = [moved["trained", hit, "single"] for hit in (True, False)]
assert all(0.05 < real / by < 0.35 for by, real in singles)
for name in sets:
    for hit in (True, False):
        by, real = moved[name, hit, -1.0]
        assert 1 < real / by < 1.75
    assert (changes[name]["ten"][:, -1, 1] * verdicts < 0).all()
turned = changes["trained"]["ten"][:, -1]
assert (turned[:, 1] + 2 * verdicts).abs().mean() < (turned[:, 1] - turned[:, 0]).abs().mean()
for hit in (True, False):
    assert moved["trained", hit, "others, -1"][1] / moved["trained", hit, -1.0][1] > 0.3

# %% [markdown]
# ## 8. Over to you
#
# `FOUR` has the number 15 four times: as the target, among the three numbers, in the try, and as the result. Feature `3/450` is active at its bracket. It compares two tokens: which two?
#
# Use the graph: give all weight to that feature, and look at the influence of embeddings. Then make sure: `activation_with({position: "37"})` gives the pre-activation of `3/450` at the bracket when tokens are replaced. Four calls are enough.
#
# ### Investigation · which two tokens? (8 minutes, medium)

# %%
FOUR = "so make 15 from 15 7 7 : 15 + 7 = 22 - 7 = 15 ("
four_tokens = player.to_tokens(FOUR)
four = graphs.attribution_graph(player, four_tokens, small, **VERDICT, run=linear_run)
print(dict(enumerate(["<bos>", *FOUR.split()])))


def activation_with(words: Mapping[int, str]) -> float:
    """The pre-activation of 3/450 at the last token, with other words at some positions."""
    changed = four_tokens.clone()
    for position, word in words.items():
        changed[0, position] = player.tokenizer.convert_tokens_to_ids(word)
    layer, latent = EQUAL
    with torch.no_grad():
        _, cache = player.run_with_cache(changed)
    return small[layer].pre_acts(cache[f"blocks.{layer}.mlp.hook_in"][0, -1])[latent].item()


# %% tags=["answer:two_positions"]
### BEGIN SOLUTION
two_positions = {3, 17}
### END SOLUTION

# %% tags=["check"]
two_positions = lesson_44.check_two_positions(two_positions)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Find its number: `next(i for i, n in enumerate(four.nodes) if (n.layer, n.latent, n.position) == (*EQUAL, 18))`. A vector with 1 there and 0 elsewhere, given to `influence` as weights, has the embeddings' influence in its first entries.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Replace one of the four 15s at a time by another number. For two of them the pre-activation falls below 0.
#
# </details>

# %% tags=["numbers"]
alone = {position: activation_with({position: "37"}) for position in (3, 5, 9, 17)}
assert activation_with({}) > 3 and {p for p, value in alone.items() if value < 0} == {3, 17}
both = activation_with({3: "37", 17: "37"})
assert both > 2
number = next(
    i for i, n in enumerate(four.nodes) if (n.layer, n.latent, n.position) == (*EQUAL, 18)
)
on_it = influence(four.effects, (torch.arange(len(four.nodes)) == number).float())[:18]
assert set(on_it.topk(2).indices.tolist()) == {3, 17}

# %% [markdown]
# Now replace *both* tokens that you found by the same number. What does the feature compute? And the control: the best *random* detector of section 6, on the same texts.

# %%
swaps = {"as it stands": (), "target": (3,), "result": (17,), "both, by the same": (3, 17)}
latents = {
    "3/450": (small, *EQUAL),
    "random {}/{}".format(*detector["random"][:2]): (control, *detector["random"][:2]),
}


def latent_with(transcoders, layer: int, latent: int, places: Sequence[int]) -> float:
    """The activation at the last token of `FOUR`, with 37 at some places."""
    changed = four_tokens.clone()
    changed[0, list(places)] = player.tokenizer.convert_tokens_to_ids("37")
    with torch.no_grad():
        _, cache = player.run_with_cache(changed)
    read = cache[f"blocks.{layer}.mlp.hook_in"][0, -1:]
    return transcoders[layer].encode(read)[0, latent].item()


replaced = {
    name: [latent_with(*which_one, places) for places in swaps.values()]
    for name, which_one in latents.items()
}
plots.table(
    [(name, *(f"{value:.1f}" for value in row)) for name, row in replaced.items()],
    columns=["activation, with 37 in the place of", *swaps],
)

# %% tags=["numbers"]
assert all(row[0] > 1 and row[3] > 1 and max(row[1:3]) < 0.5 for row in replaced.values())

# %% [markdown]
# Both answer whether target and result are the same number. So the comparison is in the *stream*, at the bracket, and a random direction that was picked for telling hits reads it as well. That a feature passes such a test shows what the model has computed there. It does not show that this latent is the model's unit.
#
# Lesson 5.1 finds the attention heads that carry the target to the result in this model, without a transcoder. The graph cannot: its patterns are frozen, so *why* a head attends there is no part of it.

# %% [markdown]
# ## Going deeper: transcoders that write to all later layers
#
# The published graphs use **cross-layer transcoders** (CLTs; Ameisen and colleagues, 2025). A feature reads at one layer and may write to the MLP outputs of that layer *and all later ones*. With a **per-layer transcoder** (PLT), as above, a chain A → B → C needs a feature at each layer, and each of them pays the penalty for being active. A feature of a CLT can write C itself. Lange, Dearstyne and Maher (2026) argue that the sparsity penalty therefore rewards a CLT for dropping B. We test it where the mechanism is known.
#
# The toy computes `(a XOR b) AND (c XOR d)` from four signs (A). Layer 0 computes both XORs (B), and layer 1 their AND (C). Set layer 0's output to 0, and C is 0 on all 16 inputs: there is no other path. The data that the authors published with their code have the same function.
#
# ### Exercise 5 · what a CLT is trained for (12 minutes, medium)


# %% tags=["exercise:utils.features.cross_layer.cross_layer_loss"]
def cross_layer_loss(
    acts: Sequence[Float[Tensor, "*model input _"]],
    decoders: Mapping[tuple[int, int], Float[Tensor, "*model _ d_stream"]],
    biases: Sequence[Float[Tensor, "*model d_stream"]],
    writes: Sequence[Float[Tensor, "input d_stream"]],
    *,
    penalty: Tensor | float,
    norm: Callable[[Mapping, int], Tensor],
) -> Float[Tensor, "*model"]:
    """Squared error at every layer, plus the penalty times every feature's activation and norm.

    What is written to a layer is its bias plus what all features that write there add. Errors are
    summed over the stream and over layers, and penalties over features; both are means over inputs.

    Args:
        acts: for each layer its features' activations, 0 or above.
        decoders: (reads at, writes to) -> directions. A pair that is not there writes nothing.
        biases: for each layer.
        writes: for each layer what the network's MLP writes.
        penalty: how much sparsity counts: one number, or a tensor that broadcasts over [*model].
        norm: `norm(decoders, layer)` gives that layer's weights in the penalty, [*model, latent].
    """
    ### BEGIN SOLUTION
    loss = 0.0
    for target, wanted in enumerate(writes):
        made = biases[target][..., None, :]
        for source in range(target + 1):
            if (source, target) in decoders:
                made = made + acts[source] @ decoders[source, target]
        loss = loss + (made - wanted).square().sum(-1).mean(-1)
    for source, active in enumerate(acts):
        weighted = active * norm(decoders, source)[..., None, :]
        loss = loss + penalty * weighted.sum(-1).mean(-1)
    return loss
    ### END SOLUTION


# %% tags=["check"]
cross_layer_loss = lesson_44.check_cross_layer_loss(cross_layer_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each target layer begin with `biases[target][..., None, :]`, and add `acts[source] @ decoders[source, target]` for each pair that is in `decoders` and ends there.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A squared error is summed over the stream and averaged over inputs: `.square().sum(-1).mean(-1)`. The penalty of a layer is `(acts[layer] * norm(decoders, layer)[..., None, :]).sum(-1).mean(-1)`.
#
# </details>

# %% [markdown]
# The penalty weights a feature by the length of what it writes. For a feature with two targets there are two ways to measure it: lay both decoders end to end as one vector (**joint**, as Ameisen and colleagues and the authors' code do), or add up their lengths (**separate**). Two decoders of length 1 cost `1.41` in the first way and `2` in the second.
#
# With your loss, 128 replacements of each kind are trained at once: four penalties, 32 starts. How much of C goes through B? We ablate B in what layer 1 reads. In the toy all of C is lost then. In a replacement, what features of layer 1 no longer write came through B; what features of layer 0 write themselves stays. `path_shares` measures both, as shares of what is written in all.

# %%
predict(
    "44.shortcut",
    "At the highest penalty, how much of C goes through B in a CLT with joint norms? (The toy: all.)",
    choices=["all", "about a half", "less than a third"],
)

# %%
PENALTIES = [0.01, 0.03, 0.1, 0.3]
start = cross_layer.truth_table()
reads, writes = cross_layer.run_network(cross_layer.boolean_network(), start)
on = writes[1][:, cross_layer.STREAM.index("AND")] > 0.5
kinds = {
    "PLT": (cross_layer.PER_LAYER, cross_layer.joint_norm),
    "CLT, joint norm": (cross_layer.CROSS_LAYER, cross_layer.joint_norm),
    "CLT, separate norms": (cross_layer.CROSS_LAYER, cross_layer.separate_norms),
}
shares, sizes = {}, {}
for kind, (pairs, norm) in kinds.items():
    trained = cross_layer.train_replacements(
        reads,
        writes,
        pairs=pairs,
        norm=norm,
        penalties=torch.tensor(PENALTIES),
        seeds=range(32),
        loss=cross_layer_loss,
    )
    shares[kind] = cross_layer.path_shares(trained, start, writes[0], on, axis=6)
    error, n_active, made = cross_layer.errors_and_active(trained, reads, writes)
    right = ((made[..., 6] > 0.5) == on).float().mean((1, 2))
    sizes[kind] = torch.stack([error.mean(1), n_active.mean(1), right])
through = {kind: each.through_b for kind, each in shares.items()}
least = through["CLT, joint norm"][-1].mean()
outcome("44.shortcut", "less than a third" if least < 1 / 3 else "about a half")
ends = torch.tensor([0.1, 0.9])
plots.curves(
    {
        ("share of C through B", ""): {
            kind: torch.cat([each.mean(1)[None], each.quantile(ends, dim=1)])
            for kind, each in through.items()
        }
    },
    at=PENALTIES,
    title="How much of C goes through B?",
    x="penalty (lines: means of 32 starts; bands: the middle 80%)",
).update_xaxes(type="log", tickvals=PENALTIES).update_layout(height=380, legend_y=1.12)

# %%
plots.table(
    [
        (kind, penalty, *(f"{value:.3f}" for value in sizes[kind][:, i].tolist()))
        for kind in kinds
        for i, penalty in enumerate(PENALTIES)
        if penalty in (0.01, 0.3)
    ],
    columns=["", "penalty", "squared error", "active features an input", "inputs whose C is right"],
)

# %% [markdown]
# In the PLT, C goes through B at every penalty. In the CLT with joint norms **0.90** of it does at the lowest penalty, and less the higher the penalty is: at the highest, less than a third, and less than in the PLT from each of the 32 starts. Features of layer 0 write the rest themselves. (Single starts differ a lot, as the band shows.)
#
# The usual measures do not warn of this. At the highest penalty the CLT has the smaller error *and* fewer active features. A graph of it shows A → C, a path that the toy does not have. So the claim replicates here.
#
# It depends on the norm. If a CLT is penalised for each target separately, **0.95** of C goes through B at the highest penalty. Why? Take an input with C on. As a chain, one feature of layer 0 writes both XORs (a decoder of length `1.41`), and one of layer 1 writes C (length `1`): `2.41`. One feature of layer 0 that writes all three costs `1.73` with the joint norm. With separate norms it costs `1.41 + 1`, as much as the chain.
#
# What this does not show: our features have a ReLU, where the authors' have a JumpReLU and the published penalty a tanh. In the weights of their toy that they published, no feature of the CLT's layer 1 is active on any input. Whether separate norms help in language models is open: a reader of their post saw little change in CLTs of Qwen 3.
#
# PLTs are not safe either. If an input comes again and again, a transcoder can learn a feature for that input instead of the computation (Olah and colleagues, 2025). The single feature of both XORs above is one.

# %% tags=["numbers"]
joint, separate = through["CLT, joint norm"], through["CLT, separate norms"]
claim("CLT, joint, lowest penalty", joint[0].mean(), text=0.90, within=0.05)
claim("CLT, separate, highest penalty", separate[-1].mean(), text=0.95, within=0.05)
means = joint.mean(1)
assert (means.diff() < 0).all() and means[-1] < 1 / 3
assert (through["PLT"].mean(1) > 0.95).all() and (joint[-1] < through["PLT"][-1]).all()
assert (joint[-1] < separate[-1]).all()
assert all((each.reads_inputs.mean(1).abs() < 0.1).all() for each in shares.values())
assert all((each[2] > 0.99).all() for each in sizes.values())
assert (sizes["CLT, joint norm"][:2, -1] < sizes["PLT"][:2, -1]).all()
_, without_b = cross_layer.run_network(cross_layer.boolean_network(), start, ablate=[0])
assert not without_b[1].any()
chain = {(0, 0): torch.tensor([[1.0, 1.0]]), (0, 1): torch.zeros(1, 2)}
skipped = chain | {(0, 1): torch.tensor([[1.0, 0.0]])}
lengths = [cross_layer.joint_norm(d, 0).item() for d in (chain, skipped)]
assert abs(lengths[0] - 1.41) < 0.01 and abs(lengths[1] - 1.73) < 0.01
assert abs(cross_layer.separate_norms(skipped, 0).item() - 2.41) < 0.01

# %% [markdown]
# ## The results


# %% tags=["results"]
plots.table(
    [
        (
            "loss recovered by a transcoder, of mean ablation",
            f"{shipped['transcoder']:.2f}; with a skip {shipped['skip transcoder']:.2f}",
            f"{shipped['affine map']:.2f}, affine map; {shipped['random latents']:.2f}, random latents",
            "transcoders as faithful as SAEs or more so, 120M to 1.4B (Dunefsky et al.)",
        ),
        (
            "replacement and completeness score, eight prompts",
            "{:.2f} and {:.2f}".format(*score["trained"].mean(0).tolist()),
            "{:.2f} and {:.2f}, random latents".format(*score["random"].mean(0).tolist()),
            "",
        ),
        (
            "change of the verdict, ten features ablated: by the graph, and in the model (hits; misses)",
            "; ".join(
                "{:.1f}, {:.1f}".format(*moved["trained", hit, 0.0]) for hit in (True, False)
            ),
            "; ".join("{:.1f}, {:.1f}".format(*moved["random", hit, 0.0]) for hit in (True, False))
            + ", random latents",
            "",
        ),
        (
            "share of C through B at the highest penalty, in a CLT with joint norms (Boolean toy)",
            f"{through['CLT, joint norm'][-1].mean():.2f}",
            "{:.2f}, PLT; {:.2f}, separate norms".format(
                *(through[kind][-1].mean() for kind in ("PLT", "CLT, separate norms"))
            ),
            "0; PLT 1 (Lange et al., our reading of their weights for about two active features)",
        ),
    ],
    columns=[
        "",
        "ours (SmolLM2's MLP 15; the CountDown player)",
        "control",
        "paper's, with its model",
    ],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. A graph of a large model has a replacement score of `0.5`. What would you say about an arrow in it? What if the score were `0.95`, from random latents?
# 2. The verdict saturates. Which output would you attribute instead of it, or at which inputs, so that a linear account can hold?
# 3. Errors are kept on this prompt only. What would happen to a prediction for another prompt?
# 4. Which control would you ask for in a paper that shows one graph of one prompt?
#
# ## Common mistakes
#
# - Leaving error nodes out of the picture, and reading what is left as the whole.
# - Taking a large virtual weight for a cause: its source may never be active.
# - Testing a graph by turning its strongest supernode round: other features, random latents and a guess that the verdict is mirrored pass that.
# - Forgetting that attention patterns are frozen: a graph says what moved along an edge, not why the head looked there.
# - Comparing a transcoder's variance explained with 0 instead of with an affine map.
#
# ## Where this breaks
#
# The graph is of a small model that does one thing, at the one position where it does it; its width of 96 makes random latents good. SmolLM2's transcoder is one of one MLP, trained on two thirds of a million tokens of the model's own text. Influence takes absolute values: two paths that cancel count twice. Scores and
# predictions are of eight prompts from one generator. The published graphs use cross-layer transcoders, merge features by hand, and are of models a thousand times larger.
#
# ## Further reading
#
# - Dunefsky, Chlenski and Nanda (2024), *Transcoders Find Interpretable LLM Feature Circuits*, arXiv 2406.11944
# - Paulo, Shabalin and Belrose (2025), *Transcoders Beat Sparse Autoencoders for Interpretability*, arXiv 2501.18823
# - Ameisen et al. (2025), *Circuit Tracing*, and Lindsey et al. (2025), *On the Biology of a Large Language Model* (transformer-circuits.pub)
# - Lange, Dearstyne and Maher (2026), *CLTs are incentivized to learn unfaithful circuits* (LessWrong)
# - Olah and colleagues (2025), *A Toy Model of Mechanistic (Un)Faithfulness* (transformer-circuits.pub)
# - The tool: `circuit-tracer` (safety-research); it needs an older TransformerLens than this course uses
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.3 · Features of a real model, and of a random one](43_features.ipynb) | **Next:** [4.5 · Model diffing: what did fine-tuning add?](45_model_diffing.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/45_model_diffing.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("44")
