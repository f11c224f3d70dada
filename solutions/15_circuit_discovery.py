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
# # 1.5 · Finding circuits automatically
#
# [![Open lesson 1.5 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.4 · Patching: what moves, and when?](14_patching.ipynb) | **Next:** [2.1 · A probe that looks like truth](21_a_probe_that_looks_like_truth.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/14_patching.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/21_a_probe_that_looks_like_truth.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. patch one connection of a model exactly, and score all of them from one gradient;
# 2. say which connections such scores miss, because you have seen it where the truth is known;
# 3. test a circuit that a program found: against exact patches, random edges, and a circuit found by hand.
#
# **Time** one hour for the core, and one for *Going deeper*. **Needs** lessons 1.1 to 1.4: hooks, the logit difference,
# patching in both directions, attribution patching.
# **Runs** in about two minutes on a laptop's processor.
#
# **First, play.** A small model reads `<bos> John Mary John to` and goes on with `Mary`. To **cut** a connection means that one
# reader gets what the writer wrote on another prompt. The third cell cuts one of 193 connections. Put the others of its
# comment into `CUT`, alone and together, and run it again.

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
import itertools, json
from collections.abc import Callable, Collection, Hashable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.ioi import task as ioi
from data.wired import task as wired
from utils import plots
from utils.checks import lesson_15
from utils.checks.predict import outcome, predict
from utils.circuits import discovery, figures
from utils.circuits.discovery import (
    edge_hooks,
    graph,
    head_reads,
    integrated_edges,
    read_gradients,
    written,
)
from utils.circuits.patching import Metric, path_sweep
from utils.heads import Head, head_name, random_heads
from utils.lesson import claim
from utils.models import load

toy, task = load("wired/names", device="cpu"), wired.toy_prompts()


def toy_diff(edges, *, tokens=task.clean, source=task.corrupted) -> float:
    """Mean logit(right name) - logit(wrong name) of the run on `tokens`, edges cut."""
    settings = {"source": source, "edge_sets": [edges], "metric": task.logit_diff}
    return discovery.patched_edges(toy, tokens, **settings).mean().item()


CUT = [("L0H0", "L1H0.v")]  # others to try: ("L0H0", "L1H1.v"), ("L0H0", "L1H2.v")

said = discovery.patched_edges(
    toy,
    task.clean[1:2],  # John Mary John to
    source=task.corrupted[1:2],  # John Mary Tom to
    edge_sets=[CUT],
    metric=lambda logits: logits[:, -1].argmax(-1).float(),
)
figures.circuit_graph(
    {"cut": CUT},
    n_layers=3,
    n_heads=4,
    title=f"It says {wired.TOKENS[int(said)]}. Logit difference {toy_diff(CUT):.2f}; uncut {toy_diff([]):.2f}",
)

# %% [markdown]
# ## 1. A model whose wiring is known
#
# Some cuts do nothing alone and cost most of the behaviour together. Do the tools that find circuits cope with that? In a real
# model nobody knows the true circuit. So this lesson starts with a model whose
# weights were *set by hand*, in the manner of Tracr (arXiv 2301.05062): three layers of four heads, no MLPs and no norms.
#
# **The task** is that of lessons 1.3 and 1.4. One name comes once (*IO*, the right answer), the other twice (*S*).
# In the **corrupted** prompt the second mention, S2, is a third name, so that neither name is right.
#
# **An edge** is one connection, from a **writer** (the embedding or a head: what adds to the residual stream) to a
# later **reader** (a head's query, key or value, or the logits). `L0H0 -> L1H2.k` is what head L0H0 writes, as the *keys* of head L1H2 see
# it. Cutting it in the clean run is *patching* it from the corrupted run: this reader, and no other, reads what the writer wrote there.
#
# Ten edges do the work. Read the drawing from below. L1H2 reads L0H0 twice, as key (k) and as value (v).

# %%
wiring = json.loads((root / "data" / "wired" / "wiring.json").read_text())
TRUE = [tuple(edge) for edge in wiring["edges"]]
EDGES = graph(toy).edges()
figures.circuit_graph(
    {"true edges": TRUE},
    n_layers=3,
    n_heads=4,
    title="The true circuit: ten edges of 193; six heads are decoys",
)

# %%
USED = [name for name in wiring["jobs"] if any(name == writer for writer, _ in TRUE)]
plots.table(
    [(name, wiring["jobs"][name]) for name in USED],
    columns=["head", "what it was built to do"],
)

# %% [markdown]
# `twice`, `avoid`, `avoid2` and `answer` are slots: a few coordinates of the residual stream that hold one name each. L0H0, at S2, finds
# the earlier copy of the name and marks it as `twice`. Three heads of layer 1 carry the mark to the last position. Two
# name movers look at the name that is *not* marked, and raise its logit. (The name itself they read from the embedding. It is the same in both prompts, so that
# edge is not one of the ten.) Three traps are built in:
#
# - **Either, or.** L1H0 and L1H1 are twins: one of them is enough.
# - **Both, and.** L1H2 *looks* where a mark is (its key) and *moves* the mark (its value). One is no use without the other.
# - **Saturated.** L0H0 attends either to the earlier copy or to BOS, in both cases with nearly all of its attention.
#
# ## 2. One edge, exactly
#
# The residual stream is a sum. To patch one edge, take the stream that the reader reads, subtract what the writer wrote in
# this run, add what it wrote in the other run (the *source*), and let this one reader read the result.
#
# ### Exercise 1 · patch one edge (12 minutes, medium)
#
# A head writes `z[:, :, head] @ model.blocks[layer].attn.W_O[head]`, where z, at the hook `blocks.L.attn.hook_z`, is [batch, pos, head, d_head].
# The stream before block L is at `blocks.L.ln1.hook_in`. A head's inputs are at `blocks.L.attn.hook_q`, `hook_k` and `hook_v`, in the shape of z.
# Hooks run in the order of the forward pass. Given: `head_reads(model, reader, into, stream)`, the query, key or value that a head makes of a stream.


# %% tags=["exercise:utils.circuits.discovery.patch_edge"]
def patch_edge(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    writer: Head,
    reader: Head,
    into: str,
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits of the run on `tokens`, in which one head reads what one writer wrote on `source`.

    Source: path patching of Wang et al., 2022 (arXiv 2211.00593), without the MLPs.

    Args:
        source: tokens of the other run.
        writer: (layer, head); all other heads go on reading what it writes in this run.
        reader: (layer, head) of a later layer; the key-value head where `into` is "k" or "v".
        into: "q", "k" or "v": which of its three inputs changes.
    """
    ### BEGIN SOLUTION
    (layer, head), (to_layer, to_head) = writer, reader
    out, stream = f"blocks.{layer}.attn.hook_z", f"blocks.{to_layer}.ln1.hook_in"
    _, there = model.run_with_cache(source, names_filter=[out])
    here = {}

    def keep_z(z, hook):
        here["z"] = z

    def keep_stream(resid, hook):
        here["stream"] = resid

    def reads_the_other(value, hook):
        change = (there[out] - here["z"])[:, :, head] @ model.blocks[layer].attn.W_O[head]
        value = value.clone()
        value[:, :, to_head] = head_reads(model, reader, into, here["stream"] + change)
        return value

    into_hook = f"blocks.{to_layer}.attn.hook_{into}"
    hooks = [(out, keep_z), (stream, keep_stream), (into_hook, reads_the_other)]
    return model.run_with_hooks(tokens, fwd_hooks=hooks)
    ### END SOLUTION


# %% tags=["check"]
patch_edge = lesson_15.check_patch_edge(patch_edge)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Three hooks: one keeps the writer's z of this run, one keeps the stream before the reader's block, one replaces a
# single head's query, key or value. The source run comes first, with a cache.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The reader's new value is `head_reads(model, reader, into, stream + change)`. Put it into a `.clone()` of the hooked tensor, at the
# reader's number, and return that. Keep tensors under names of your own: `hook.name` may be another name of the same hook.
#
# </details>

# %% [markdown]
# There are two directions, as in lesson 1.4:
#
# | | run | patched in from | asks |
# | --- | --- | --- | --- |
# | **noising** | clean | corrupted | is this edge needed? |
# | **denoising** | corrupted | clean | is this edge enough? |
#
# We count in shares of the gap between the two runs, positive where the edge helps the right name.

# %%
predict(
    "15.noising",
    "Noise the ten true edges one at a time. How many of them cost more than 5% of the gap?",
    choices=["10", "8", "6", "4"],
)

# %%
clean_diff, corrupted_diff = toy_diff([]), toy_diff([], tokens=task.corrupted)
GAP = clean_diff - corrupted_diff


def place(end: str) -> Head:
    """`"L1H2.k"` as (1, 2)."""
    layer, head = end.partition(".")[0][1:].split("H")
    return int(layer), int(head)


def each_alone(tokens, source) -> dict:
    """Edge -> the logit difference with that edge patched.

    `patched_edges` does all 193 in a few large batches, those of the embedding and the logits too.
    Between heads of the true circuit your function takes its place.
    """
    settings = {"edge_sets": [[edge] for edge in EDGES], "metric": task.logit_diff}
    batched = discovery.patched_edges(toy, tokens, source=source, batch_size=2400, **settings)
    patched = dict(zip(EDGES, batched.mean(1).tolist(), strict=True))
    for writer, reader in TRUE:
        if writer != "embed" and reader != "logits":
            ends = {"writer": place(writer), "reader": place(reader), "into": reader[-1]}
            logits = patch_edge(toy, tokens, source=source, **ends)
            patched[writer, reader] = task.logit_diff(logits).mean().item()
    return patched


noised, denoised = each_alone(task.clean, task.corrupted), each_alone(task.corrupted, task.clean)
scores = {
    "noising": {edge: (clean_diff - value) / GAP for edge, value in noised.items()},
    "denoising": {edge: (value - corrupted_diff) / GAP for edge, value in denoised.items()},
}


def edge_name(edge) -> str:
    return " -> ".join(edge)


def shown(value: float) -> str:
    return f"{round(value, 2) + 0:.2f}"  # no minus before a zero


def score_table(methods):
    """The true edges' scores, and the largest score of a false edge."""
    lines = [(edge_name(e), *(shown(scores[m][e]) for m in methods)) for e in TRUE]
    false = [max(abs(scores[m][e]) for e in EDGES if e not in TRUE) for m in methods]
    lines.append(("largest of the 183 false edges", *map(shown, false)))
    return plots.table(lines, columns=["edge", *methods])


visible = sum(scores["noising"][edge] > 0.05 for edge in TRUE)
outcome("15.noising", str(visible))
score_table(["noising", "denoising"])

# %% [markdown]
# Noising gives nothing to the four edges of the twins: take one away, and the other does its work. Denoising gives each of them
# **0.70**, and misses the other trap: the key of L1H2 alone brings nothing, and its value next to nothing.
#
# Each direction alone misses true edges.

# %% tags=["numbers"]
TWINS = [tuple(edge) for branch in wiring["either"] for edge in branch]
KEY, VALUE = (tuple(edge) for edge in wiring["both"])
twins = {m: torch.tensor([scores[m][e] for e in TWINS]) for m in scores}
assert (
    twins["noising"].abs().max() < 0.005 and sum(s > 0.05 for s in scores["noising"].values()) == 6
)
claim("denoising effect of a twin's edge", twins["denoising"].mean(), text=0.70, within=0.02)
assert abs(scores["denoising"][KEY]) < 0.005 and 0.005 < scores["denoising"][VALUE] < 0.015
assert min(scores["denoising"][e] for e in TRUE if e not in (KEY, VALUE)) > 0.25
assert len(TRUE) == 10 and len(EDGES) == 193 and len(task.clean) == 240
with torch.no_grad():
    assert (toy(task.clean)[:, -1].argmax(-1) == task.io).all()

# %% [markdown]
# It is also slow: a forward pass for each edge. SmolLM2 has 70,651 of them.
#
# ## 3. All edges from one gradient
#
# **Edge attribution patching** (EAP; Syed and colleagues, 2023, after Nanda's attribution patching) guesses all effects at once:
#
# `score(writer -> reader) = (writer's output on source - on tokens) · (gradient of the metric by the reader's own input)`
#
# summed over positions and d_model. The metric is the mean over prompts. The first factor takes two forward passes, the second one
# backward pass. Many readers share the stream, so its gradient mixes them. We need the gradient through one reader only.
#
# ### Exercise 2 · edge attribution (20 minutes, hard)
#
# Given: `edge_hooks(model)`, the names of all hooks that you need; `written(model, cache)`, what each
# writer wrote, [writer, batch, pos, d_model]; `read_gradients(model, activations, gradients)`, for activations and gradients of the same run, the gradient at each reader's own input, [reader, batch, pos,
# d_model], from two dictionaries by those names; `graph(model).allowed`, [writer, reader]. Your part is to run, keep, differentiate and combine.

# %%
print(*edge_hooks(toy)[:7], "...", edge_hooks(toy)[-1], sep="\n")


# %% [markdown]
# The first is the embedding. These are the names that `hook.name` has in a hook (`attn.hook_q` is another name of `attn.q.hook_out`).
#
# **How to get a gradient *by* an activation:**
#
# 1. In a hook, keep a copy, `kept[hook.name] = value.clone()`, and **return that very copy**: the model goes on with it, and what was there before has other readers.
# 2. The graph has to begin somewhere: at the first hook, begin with `value.detach().requires_grad_()` (or with `at` instead of `value`, where `at` is given: section 4 needs it). What the writers wrote does not depend on `at`.
# 3. `torch.autograd.grad(number, list_of_kept)` returns the gradients in the order of the list. (`.grad` is filled on leaf tensors only.)
#
# Then **sum while you multiply**, with `torch.einsum("wbpd,rbpd->wr", ...)` or one matrix product. A tensor [writer, reader, batch, pos, d_model] would take
# 40 GB on SmolLM2.


# %% tags=["exercise:utils.circuits.discovery.edge_attribution"]
def edge_attribution(
    model,
    tokens: Int[Tensor, "batch pos"],
    *,
    source: Int[Tensor, "batch pos"],
    metric: Metric,
    at: Float[Tensor, "batch pos d_model"] | None = None,
) -> Float[Tensor, "writer reader"]:
    """The guessed change of the metric, its mean over prompts, when each edge is patched.

    0 where `graph(model).allowed` is False. No tensor [writer, reader, batch, ...] is built.

    Source: Syed et al., 2023 (arXiv 2310.10348), after Nanda, 2023.

    Args:
        tokens: the run that is patched.
        source: the run that the patches come from.
        metric: logits to [batch].
        at: embeddings with which the run of the gradient begins; None: those of `tokens`.
    """
    ### BEGIN SOLUTION
    names, here = edge_hooks(model), {}
    with torch.no_grad():
        _, there = model.run_with_cache(source, names_filter=names)
        _, own = model.run_with_cache(tokens, names_filter=names)

    def keep(value, hook):
        if hook.name == names[0]:
            value = (value if at is None else at).detach().requires_grad_()
        here[hook.name] = value.clone()
        return here[hook.name]

    with torch.enable_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
        slopes = torch.autograd.grad(metric(logits).mean(), [here[name] for name in names])
    gradient = read_gradients(model, here, dict(zip(names, slopes, strict=True)))
    difference = written(model, there) - written(model, own)
    scores = torch.einsum("wbpd,rbpd->wr", difference, gradient)
    return scores * graph(model).allowed.to(scores.device)
    ### END SOLUTION


# %% tags=["check"]
edge_attribution = lesson_15.check_edge_attribution(edge_attribution)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Caches of the runs on `source` and on `tokens`, under `torch.no_grad()`. Then a third run, on `tokens`, with one hook on
# every name, which does what steps 1 and 2 say.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.autograd.grad(metric(logits).mean(), [kept[name] for name in names])`, then a dictionary of names and gradients for
# `read_gradients`. The difference is `written(model, source_cache) - written(model, own_cache)`. At the end, multiply by `allowed`.
#
# </details>

# %% [markdown]
# Noising a helpful edge lowers the metric, so we turn that sign round: positive is help, as above.


# %%
def toy_scores(matrix, sign: int) -> dict:
    return {edge: sign * value / GAP for edge, value in graph(toy).score_of(matrix).items()}


for name, sign, tokens, source in (
    ("EAP, clean run", -1, task.clean, task.corrupted),
    ("EAP, corrupted run", 1, task.corrupted, task.clean),
):
    matrix = edge_attribution(toy, tokens, source=source, metric=task.logit_diff)
    scores[name] = toy_scores(matrix, sign)
score_table(["noising", "EAP, clean run", "denoising", "EAP, corrupted run"])

# %% [markdown]
# Look at the first line. Exact noising says that `embed -> L0H0.q` carries **0.96** of the behaviour. The gradient in the clean run gives it
# nothing: the head's softmax is saturated, and a small step of its query changes nothing. The whole step changes everything.
# The twins show the opposite error. In the corrupted run the gradient gives each **1.9**, as if one twin brought back nearly twice the
# behaviour: the slope is steep there, and the curve flattens soon.

# %% tags=["numbers"]
SATURATED = ("embed", "L0H0.q")
claim("exact noising of the saturated edge", scores["noising"][SATURATED], text=0.96, within=0.02)
assert abs(scores["EAP, clean run"][SATURATED]) < 0.005
steep = sum(scores["EAP, corrupted run"][e] for e in TWINS) / 4
claim("EAP in the corrupted run, a twin's edge", steep, text=1.9, within=0.1)
assert max(abs(scores["EAP, clean run"][e]) for e in TWINS) < 0.02
assert abs(scores["EAP, corrupted run"][KEY]) < 0.01


# %% [markdown]
# ## 4. The repair: a gradient along the way
#
# The gradient at one end knows nothing of the way to the other. **EAP-IG** (*integrated gradients*; Hanna and colleagues, 2024) takes it at several points
# between the two runs and averages.
#
# The points mix *embeddings*: `start + share * (end - start)`, where `start` is `model.embed(tokens)`, and `end` the same of `source`. (Positions are added
# later, inside the model.) `integrated_edges` is given. It cuts this way into `steps` equal pieces, gives the middle of each to *your* `edge_attribution` as `at`, and
# averages the scores.

# %%
on_the_way = integrated_edges(
    toy,
    task.clean,
    source=task.corrupted,
    metric=task.logit_diff,
    steps=10,
    attribute=edge_attribution,
)
scores["EAP-IG"] = toy_scores(on_the_way, -1)


def recall_of_highest(method: str, n: int) -> float:
    """The share of the true edges among the `n` with the largest scores."""
    highest = sorted(EDGES, key=lambda edge: -abs(scores[method][edge]))[:n]
    return len(set(highest) & set(TRUE)) / len(TRUE)


COUNTS = range(1, 31)
plots.lines(
    {m: [recall_of_highest(m, n) for n in COUNTS] for m in scores if m.startswith("EAP")},
    at=COUNTS,
    title="Take the n highest scores: how many of the ten true edges are among them?",
    x="edges taken (n)",
    y="share of the true edges found",
)

# %%
score_table(["noising", "EAP, clean run", "EAP-IG"])

# %% [markdown]
# EAP-IG has all ten true edges as its ten highest. What it repairs: the saturated edge, and the twins, since halfway between the runs
# neither of them saturates the name mover. What it does not repair:
#
# - **It is no estimate of a single patch.** A twin's edge scores **0.69**, and patching it does nothing. The key of L1H2 scores
#   **0.11**, and patching it does **0.29**.
# - **It sees one contrast.** The name movers must read the names, `embed -> L2H0.v`. Both prompts have the same names where they
#   look, so no method finds that edge, and it is not on the list. *A circuit is always the circuit of a contrast.*

# %% tags=["numbers"]
assert recall_of_highest("EAP-IG", 10) == 1
assert max(recall_of_highest(m, 10) for m in scores if m != "EAP-IG") < 1
twin = scores["EAP-IG"]["L1H0", "L2H0.q"]
claim("EAP-IG, a twin's edge", twin, text=0.69, within=0.03)
claim("EAP-IG, the key", scores["EAP-IG"][KEY], text=0.11, within=0.015)
claim("exact noising, the key", scores["noising"][KEY], text=0.29, within=0.02)
assert ("embed", "L2H0.v") not in TRUE and abs(scores["EAP-IG"]["embed", "L2H0.v"]) < 0.05

# %% [markdown]
# ## 5. SmolLM2: does it recover the chain of lesson 1.4?
#
# Now a real model, where the truth is not known, but lesson 1.4 found a chain by hand. It has MLPs, which write and read too, and **grouped-query attention**: three
# query heads share one key and one value. A shared key has one input, so it is one reader: `L17KV1.k` is the key that L17H3, L17H4 and L17H5 share.
#
# As in lesson 1.4, S2 is swapped in the corrupted prompt: `When Mary and John ..., Mary gave ...`. Scores
# come from 8 prompts (`choose`), exact patches from 16 with other names (`test`), faithfulness from 16 more.


# %%
def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mean_and_error(x: Tensor) -> tuple[float, float]:
    return x.mean().item(), (x.std() / len(x) ** 0.5).item()


def with_error(x: Tensor) -> str:
    mean, error = mean_and_error(x)
    return f"{round(mean, 2) + 0:+.2f} ± {error:.2f}"


model = load()
choose = ioi.prompts(model, 8, generator=seeded(0))
test = ioi.prompts(model, 16, generator=seeded(1), names=ioi.OTHER_NAMES)
more = ioi.prompts(model, 16, generator=seeded(2), names=ioi.OTHER_NAMES)
with torch.no_grad():
    test_clean = test.logit_diff(model(test.tokens)).cpu()
print(test.texts[0])
print(f"right name preferred on {(test_clean > 0).float().mean():.0%} of the test prompts")

# %% [markdown]
# Your `edge_attribution`, alone and along the way, on 70,651 edges (about 15 seconds):

# %%
big = graph(model)
settings = {"source": choose.swapped().tokens, "metric": choose.logit_diff}
found = {
    "EAP": edge_attribution(model, choose.tokens, **settings),
    "EAP-IG": integrated_edges(
        model, choose.tokens, **settings, steps=5, attribute=edge_attribution
    ),
}
guess = {method: big.score_of(matrix) for method, matrix in found.items()}
ranked = {method: sorted(of, key=lambda e: -abs(of[e])) for method, of in guess.items()}
rank = {m: {edge: i + 1 for i, edge in enumerate(edges)} for m, edges in ranked.items()}

# %% [markdown]
# ### How many edges does it take?
#
# Keep the n edges with the largest scores, whatever their sign, and patch *all others*. **Faithfulness** is the share of the
# gap that is left: 0 with every edge patched, 1 for the whole model. The control keeps as many random edges between the same layers.

# %%
predict(
    "15.kept",
    "EAP-IG's 300 highest edges are 0.4% of the graph. How much of the behaviour do they keep?",
    choices=["under 10%", "10% to 50%", "50% to 90%", "over 90%"],
)

# %%
SIZES = [100, 300, 1000, 3000]
compared = found | {
    "random edges": discovery.shuffled_scores(big, found["EAP-IG"], generator=seeded(3))
}
settings = {"source": more.swapped().tokens, "metric": more.logit_diff, "sizes": SIZES}
faithful = {
    name: discovery.faithfulness(model, more.tokens, scores=matrix, **settings).cpu()
    for name, matrix in compared.items()
}
share = faithful["EAP-IG"][1].mean().item()
outcome(
    "15.kept",
    ["under 10%", "10% to 50%", "50% to 90%", "over 90%"][sum(share > x for x in (0.1, 0.5, 0.9))],
)
figures.faithfulness_curves(
    faithful, sizes=SIZES, title="How much of the behaviour do the n highest edges keep?"
)

# %% [markdown]
# EAP-IG's 300 highest edges keep about **0.7** of the behaviour. With 100 and with 300 edges EAP keeps less (paired over prompts, by more than three standard errors). With 3,000 no difference is left. EAP's 100 highest
# hold no edge out of the embedding, where the prompts differ, and so they keep nothing. Random edges between the same layers keep nothing either.
#
# ### Is the chain in it?
#
# Faithful does not mean *the same circuit*. So take the chain link by link, with your `patch_edge` as the referee. (Of the four heads of
# layer 23 that read L20H0 we follow one.)


# %%
LINKS = {
    ("L16H0", "L17KV1.k"): "where a name stood",
    ("L17H4", "L20KV0.v"): "induction head, to S-inhibition head",
    ("L20H0", "L23H0.q"): "tells the name mover where to look",
    ("L23H0", "logits"): "name mover: raises IO",
    ("L23H3", "logits"): "name remover: lowers S",
}


@torch.no_grad()
def link_effect(writer: str, reader: str, prompts, source) -> Tensor:
    """How one edge moves each prompt's logit difference: between heads, by your function."""
    plain = prompts.logit_diff(model(prompts.tokens))
    if reader == "logits":
        settings = {"source": source, "metric": prompts.logit_diff}
        one = discovery.patched_edges(
            model, prompts.tokens, edge_sets=[[(writer, reader)]], **settings
        )
        return (one[0] - plain).cpu()
    ends = {"writer": place(writer), "reader": place(reader.replace("KV", "H")), "into": reader[-1]}
    return (
        prompts.logit_diff(patch_edge(model, prompts.tokens, source=source, **ends)) - plain
    ).cpu()


swapped = test.swapped().tokens
effect = {edge: link_effect(*edge, test, swapped) for edge in LINKS}
plots.table(
    [
        (edge_name(edge), job, with_error(effect[edge]))
        + tuple(f"{round(guess[m][edge], 2) + 0:+.2f}, rank {rank[m][edge]:,}" for m in guess)
        for edge, job in LINKS.items()
    ],
    columns=["link of 1.4", "", "exact patch (logits, ± SE)", "EAP", "EAP-IG"],
)

# %% [markdown]
# Ranks are by size, whatever the sign. EAP-IG has four of the five links among its 20 highest edges of 70,651, each with the sign of the exact patch.
# EAP has three among its 40 highest. To `L17H4 -> L20KV0.v` it gives a small score, whose sign depends on the eight prompts. Here the sign is *wrong*. By its rank alone this link
# may look found.
#
# **The first link gets no score, and rightly so.** Up to S2 both prompts are the same, so what L16H0 writes there is the same, and the exact
# patch does nothing either. Lesson 1.4 needed another contrast for it.

# %% tags=["numbers"]
claim("faithfulness of EAP-IG's 300", share, text=0.7, within=0.1)
gain = faithful["EAP-IG"] - faithful["EAP"]
for row in gain[:2]:
    mean, error = mean_and_error(row)
    assert mean > 3 * error
mean, error = mean_and_error(gain[3])
assert abs(mean) < 4 * error + 0.05
assert any(w == "embed" for w, _ in ranked["EAP"][:100]) or faithful["EAP"][0].abs().max() < 1e-3
assert faithful["random edges"].mean(1).abs().max() < 0.05
assert (test_clean > 0).float().mean() > 0.9 and len(big.edges()) == 70651
first, second, *rest = LINKS
assert max(rank["EAP-IG"][edge] for edge in LINKS if edge != first) <= 20
assert max(rank["EAP"][edge] for edge in rest) <= 40 < rank["EAP"][second]
assert abs(guess["EAP"][second]) < 0.5 * abs(effect[second].mean())
assert effect[first].abs().max() < 0.01
for edge in (second, *rest):
    mean, error = mean_and_error(effect[edge])
    assert mean < -3 * error and guess["EAP-IG"][edge] < 0

# %% [markdown]
# **That is the core.** What follows stands on its own feet, in any order. If you have another quarter of an hour, take the investigation, the section after next.

# %% [markdown]
# ## Going deeper: two heads too many?
#
# A colleague looks at heads instead of edges. The true circuit has six. She runs the circuit alone (all other heads give what they
# give on the corrupted prompt), then without one head at a time:

# %%
CIRCUIT = sorted({place(end) for edge in TRUE for end in edge if end[0] == "L"})
toy_metric = discovery.metric_of_heads(
    toy, task.clean, source=task.corrupted, metric=task.logit_diff
)
without_one = {
    head: toy_metric(CIRCUIT) - toy_metric([h for h in CIRCUIT if h != head]) for head in CIRCUIT
}
plots.table(
    [(head_name(head), shown(lost)) for head, lost in without_one.items()],
    columns=["head", f"logit difference lost without it (circuit: {toy_metric(CIRCUIT):.2f})"],
)

# %% [markdown]
# "L1H0 and L1H1 are not needed", she writes. "The circuit has four heads." Where is the flaw, and which test would have shown it?
#
# Wang and colleagues (2022) saw it coming. Their **minimality** asks of each head v whether there is *some* set K of other heads such that, with
# K gone, it makes a difference whether v goes too:
#
# `score(v) = largest over K of |F(C without K and v) - F(C without K)|`
#
# where F is the metric when only those heads run, and C the circuit.
#
# ### Exercise 3 · minimality over sets (10 minutes, medium)


# %% tags=["exercise:utils.circuits.discovery.minimality"]
def minimality(
    metric_of: Callable[[Collection], float],
    circuit: Collection[Hashable],
    tries: Sequence[Collection[Hashable]],
) -> dict:
    """Part v of the circuit C -> the largest |F(C without K and v) - F(C without K)| over tries K.

    Source: Wang et al., 2022 (arXiv 2211.00593).

    Args:
        metric_of: F, the metric when only these parts run.
        circuit: the parts of C.
        tries: sets K of parts; the part in question never counts as a member of K.
    """
    ### BEGIN SOLUTION
    largest = {}
    for part in circuit:
        changes = []
        for gone in tries:
            left = set(circuit) - set(gone) - {part}
            changes.append(abs(metric_of(left | {part}) - metric_of(left)))
        largest[part] = max(changes)
    return largest
    ### END SOLUTION


# %% tags=["check"]
minimality = lesson_15.check_minimality(minimality)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two loops: over the parts, and for each over the tries. In each try, what is left of the circuit without K and without the
# part?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `left = set(circuit) - set(gone) - {part}`. The change is `metric_of(left | {part}) - metric_of(left)`: with the part, and
# without it. Take absolute values, then the largest.
#
# </details>

# %%
SETS = [k for n in range(len(CIRCUIT)) for k in itertools.combinations(CIRCUIT, n)]
over_sets = minimality(toy_metric, CIRCUIT, SETS)
FOUR = [head for head in CIRCUIT if without_one[head] > 0.05]
plots.table(
    [
        (
            head_name(head),
            shown(without_one[head]),
            shown(over_sets[head]),
            wiring["jobs"][head_name(head)],
        )
        for head in CIRCUIT
    ],
    columns=["head", "lost without it alone", f"largest over {len(SETS)} sets K", "job"],
)

# %% [markdown]
# With K the other twin, each twin is worth **3.9** logits of the circuit's **5.6**. Her four heads alone reach **1.7**. Each of her tests
# left the other twin in place. Nobody tested removing both.

# %% tags=["numbers"]
assert max(abs(without_one[head]) for head in ((1, 0), (1, 1))) < 0.02
for head in ((1, 0), (1, 1)):
    claim(f"minimality of {head_name(head)}", over_sets[head], text=3.9, within=0.1)
claim("the circuit of six", toy_metric(CIRCUIT), text=5.6, within=0.1)
claim("the four heads alone", toy_metric(FOUR), text=1.7, within=0.1)
assert len(FOUR) == 4 and min(over_sets.values()) > 1

# %% [markdown]
# ## Going deeper: a model you have not seen
#
# ### Investigation · what does EAP miss? (15 minutes, medium)
#
# `wired/rewired` is a second toy for the same prompts. Its heads stand elsewhere, one job has *more* copies (heads that read and write the same), and there is
# no list of true edges. **Which true edges does EAP, in the clean run, give less than 5% of the gap?**
#
# An edge is true if cutting it costs more than 5%: alone, or together with the same edge of its head's copies. Budget: your scores, as often as you like, and 12 calls of
# `cost`, which cuts a set of edges exactly (the example below is the first). Answer with a list of edges: `[("L0H1", "L1H2.k"), ...]`.

# %%
other, calls = load("wired/rewired", device="cpu"), []


def cost(*edges) -> float:
    """The share of the gap that is lost when these edges are cut together."""
    calls.append(edges)
    settings = {"source": task.corrupted, "metric": task.logit_diff}
    sets = [graph(other).allowed, [], edges]
    every, plain, got = (
        discovery.patched_edges(other, task.clean, edge_sets=sets, **settings).mean(1).tolist()
    )
    print(f"call {len(calls)} of 12")
    return round((plain - got) / (plain - every), 3)


cost(("L0H0", "L1H0.v"))

# %% tags=["answer:missed"]
### BEGIN SOLUTION
missed = [("embed", "L0H2.q")]
for copy in (1, 2, 3):
    missed += [("L0H2", f"L1H{copy}.v"), (f"L1H{copy}", "L2H3.q")]
### END SOLUTION

# %% tags=["check"]
missed = lesson_15.check_missed(missed)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Score all edges of `other` twice, with `edge_attribution` and with `integrated_edges`. Divide by the gap, and list the edges on which the two
# disagree.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Then cut suspects exactly: each kind of edge alone, in pairs, all together. Several may be needed before anything shows. The edge
# out of a copy and the edge into it lie on one path.
#
# </details>

# %% tags=["numbers"]
settings = {"source": task.corrupted, "metric": task.logit_diff}
with torch.no_grad():
    own_gap = (task.logit_diff(other(task.clean)) - task.logit_diff(other(task.corrupted))).mean()
one = graph(other).score_of(edge_attribution(other, task.clean, **settings) / own_gap)
many = graph(other).score_of(
    integrated_edges(other, task.clean, **settings, steps=10, attribute=edge_attribution) / own_gap
)
assert {e for e in one if abs(one[e]) < 0.05 < abs(many[e])} == set(missed)
ins, outs = ([e for e in missed if e[0][:2] == layer] for layer in ("L0", "L1"))
assert cost(*ins) > 0.6 and cost(*outs) > 0.6 and cost(missed[0]) > 0.6
assert max(cost(*pair) for pair in itertools.combinations(ins, 2)) < 0.05

# %% [markdown]
# ## Going deeper: the edges that nobody named
#
# The core checked edges that were named before. That cannot find what *all* have missed. Take one reader, and patch
# *every* edge into it. We take the reader of the chain's second link, `L20KV0.v`, with 200 writers (on `choose`). It was chosen because we know that EAP
# errs there, so it shows what can go wrong and not how often. `path_sweep` of lesson 1.4 does what your `patch_edge` does, and shares work between patches.

# %%
READER = "L20KV0.v"
into = {"receivers": [place(READER.replace("KV", "H"))], "into": "v", "progress": False}
exact = {}
for what in ("z", "mlp_out"):
    swept = path_sweep(
        model, choose.tokens, choose.swapped().tokens, choose.logit_diff, what=what, **into
    ).effect
    for layer in range(20):
        if what == "z":
            exact |= {head_name((layer, h)): swept[layer, h].item() for h in range(9)}
        else:
            exact[f"MLP{layer}"] = swept[layer].item()
guesses = {m: {w: guess[m][w, READER] for w in exact} for m in guess}


def alike(method: str) -> float:
    """Correlation with the exact patches, over all writers."""
    pairs = torch.tensor([(guesses[method][w], exact[w]) for w in exact])
    return torch.corrcoef(pairs.T)[0, 1].item()


largest = sorted(exact, key=lambda w: -abs(exact[w]))
rows = [(w, exact[w], *(guesses[m][w] for m in guesses)) for w in largest[:3]]
named = sorted(exact, key=lambda w: -abs(guesses["EAP-IG"][w]))
rows += [
    (w, exact[w], *(guesses[m][w] for m in guesses)) for w in named[:6] if w not in largest[:3]
]
plots.table(
    [(w, *(f"{value:+.2f}" for value in values)) for w, *values in rows]
    + [("correlation with exact, 200 writers", "", *(f"{alike(m):.2f}" for m in guesses))],
    columns=["writer into L20KV0.v", "exact patch (logits)", *guesses],
)

# %% [markdown]
# The table holds the three largest exact effects, then the largest others of EAP-IG. The largest writer is **MLP17**, larger than the chain's own L17H4. Lesson 1.4 met it in another way: where the MLPs
# between L17H4 and L20H0 were free to pass the message on, that link grew.
#
# EAP gives MLP17 and L17H4 its two largest scores into this reader, small ones and *with the wrong sign*. (With other prompts the signs vary.) EAP-IG has both with the right sign. But MLP18 it has with the
# wrong one, and others that it names do little. So neither gives a list of *the* edges. Report scores with exact patches for what you rely on.

# %% tags=["numbers"]
assert len(exact) == 200 and largest[:2] == ["MLP17", "L17H4"]
assert all(guesses["EAP"][w] > 0.4 * exact[w] for w in ("MLP17", "L17H4"))
assert all(guesses["EAP-IG"][w] < 0 > exact[w] for w in ("MLP17", "L17H4"))
assert guesses["EAP-IG"]["MLP18"] > 0.2 and exact["MLP18"] < 0
assert alike("EAP-IG") > 0.5 > alike("EAP") + 0.1
by_hand = link_effect("L17H4", READER, choose, choose.swapped().tokens)
assert abs(by_hand.mean() - exact["L17H4"]) < 1e-3

# %% [markdown]
# ## Going deeper: prune instead of rank
#
# The twins are lost when edges are patched one at a time. What if they *stay* patched? **ACDC** (Conmy and colleagues, 2023) goes through the edges from
# the logits back to the embedding, patches each, and if that adds less than a threshold to the damage, leaves it patched for good.

# %%
predict(
    "15.twins",
    "Now prune the toy in this way. What is left of the two twins, L1H0 and L1H1?",
    choices=["both", "one of them", "neither"],
)

# %% [markdown]
# ### Exercise 4 · prune (8 minutes, medium)


# %% tags=["exercise:utils.circuits.discovery.prune"]
def prune(
    parts: Sequence[Hashable], damage: Callable[[frozenset], float], *, threshold: float
) -> list:
    """What is left of `parts`, in their order, after trying once to remove each.

    A part is removed for good if that adds less than `threshold` to the damage done so far. Source:
    ACDC, Conmy et al., 2023 (arXiv 2304.14997).

    Args:
        parts: in the order in which to try them.
        damage: `damage(removed)` is what it costs to remove a set of parts (a frozenset) together.
        threshold: in the units of `damage`.
    """
    ### BEGIN SOLUTION
    removed = frozenset()
    done = damage(removed)
    for part in parts:
        tried = damage(removed | {part})
        if tried - done < threshold:
            removed, done = removed | {part}, tried
    return [part for part in parts if part not in removed]
    ### END SOLUTION


# %% tags=["check"]
prune = lesson_15.check_prune(prune)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Keep two things: the set `removed`, and `done`, the damage that this set does. They change only when a part goes.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `removed | {part}` is a new set, and `removed` is still the old one: if the part must stay, there is nothing to put back.
#
# </details>


# %%
few_names = wired.toy_prompts(every=5)


def toy_damage(removed) -> float:
    """How far the logit difference moves with all these edges patched, as a share of the gap."""
    settings = {"source": few_names.corrupted, "metric": few_names.logit_diff}
    got = discovery.patched_edges(toy, few_names.clean, edge_sets=[removed], **settings)
    return abs(clean_diff - got.mean().item()) / GAP


pruned = {
    "from the logits back": prune(EDGES[::-1], toy_damage, threshold=0.05),
    "from the embedding on": prune(EDGES, toy_damage, threshold=0.05),
}
left = pruned["from the logits back"]
twins_left = sum(any(edge[0] == twin for edge in left) for twin in ("L1H0", "L1H1"))
outcome("15.twins", ["neither", "one of them", "both"][twins_left])
figures.circuit_graph(
    {
        "kept": [e for e in TRUE if e in left],
        "true, but gone": [e for e in TRUE if e not in left],
        "kept, but false": [e for e in left if e not in TRUE],
    },
    n_layers=3,
    n_heads=4,
    title="What is left after pruning from the logits back?",
)

# %% tags=["nbval-check-output"]
for order, kept in pruned.items():
    gone = [edge_name(edge) for edge in TRUE if edge not in kept]
    print(f"{order}: keeps {len(kept)}, of them {len(set(kept) & set(TRUE))} true; lost {gone}")

# %% [markdown]
# No false edge is left, and one of the twins is gone. *Which* one depends on the order alone. The result is *a* circuit that works, not *the* circuit, and
# by its faithfulness you cannot tell. It cost 193 forward passes; on SmolLM2 it would be 70,651.

# %% tags=["numbers"]
for kept in pruned.values():
    assert set(kept) < set(TRUE) and len(kept) == 8
one_way, other_way = ({e for e in TWINS if e in kept} for kept in pruned.values())
assert len(one_way) == len(other_way) == 2 and not one_way & other_way

# %% [markdown]
# ## Going deeper: is anything missing?
#
# **Completeness** (Wang and colleagues, 2022) asks whether the circuit holds *all* that the model uses. Take some heads K out of the circuit, and the same K out of the
# whole model. If the model stands it better, it has something that the circuit lacks. K = nothing compares the two as they are. The K that matters is the worst one.
#
# ### Exercise 5 · the worst K (10 minutes, medium)


# %% tags=["exercise:utils.circuits.discovery.worst_removal"]
def worst_removal(
    metric_of: Callable[[Collection], float],
    circuit: Collection[Hashable],
    everything: Collection[Hashable],
    *,
    size: int,
) -> list:
    """A set K of the circuit's parts whose loss makes circuit C and whole model M differ much.

    Greedy: each time the part that makes |F(M without K) - F(C without K)| largest joins K. Source:
    Wang et al., 2022 (arXiv 2211.00593).

    Args:
        metric_of: F, the metric when only these parts run.
        circuit: the parts of C.
        everything: the parts of M.
        size: how many parts K gets.

    Returns:
        The parts of K, in the order in which they joined.
    """
    ### BEGIN SOLUTION
    removed = []

    def difference(part) -> float:
        gone = {*removed, part}
        return abs(metric_of(set(everything) - gone) - metric_of(set(circuit) - gone))

    for _ in range(size):
        left = [part for part in circuit if part not in removed]
        removed.append(max(left, key=difference))
    return removed
    ### END SOLUTION


# %% tags=["check"]
worst_removal = lesson_15.check_worst_removal(worst_removal)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Write the difference for one candidate first: with K and the candidate gone, `metric_of` of what is left of the model, and of
# what is left of the circuit.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `max(candidates, key=difference)` gives the worst one. Append it to K, and repeat `size` times with those that are left.
#
# </details>

# %%
ALL_TOY = [(layer, head) for layer in range(3) for head in range(4)]
FIVE = sorted({place(end) for edge in left for end in edge if end[0] == "L"})
worst = worst_removal(toy_metric, FIVE, ALL_TOY, size=1)
plots.table(
    [
        (name, *(shown(toy_metric(set(of) - set(gone))) for of in (FIVE, ALL_TOY)))
        for name, gone in {"nothing": [], f"the worst, {head_name(worst[0])}": worst}.items()
    ],
    columns=["K (toy, heads that pruning left)", "circuit without K", "model without K"],
)

# %% [markdown]
# The pruned toy circuit is as good as the model, until its remaining twin goes. Then the model has the other twin, and the circuit has nothing.
#
# Now SmolLM2, with heads as parts. All MLPs stay, and heads outside the circuit give what they give on the swapped prompt. Two circuits of eight heads: lesson 1.4's chain with all
# four readers of L20H0, and the eight heads whose edges score highest in EAP-IG (the sum over a head's outgoing edges). The control is eight random heads.

# %%
HEADS = [(layer, h) for layer in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
CHAIN = [(16, 0), (17, 4), (20, 0), (23, 0), (23, 1), (23, 2), (23, 3), (23, 7)]
total = found["EAP-IG"].sum(1).abs().cpu()
EIGHT = sorted(sorted(HEADS, key=lambda head: -total[big.writers.index(head_name(head))])[:8])
draw = seeded(4)
control = [
    random_heads(8, layers=range(model.cfg.n_layers), n_heads=9, but=[], generator=draw)
    for _ in range(6)
]


def share_of(circuits) -> list[Tensor]:
    """Faithfulness of circuits of heads on `test`, prompt by prompt."""
    none, whole, *got = discovery.circuit_values(
        model, test.tokens, source=swapped, circuits=[[], HEADS, *circuits], metric=test.logit_diff
    ).cpu()
    return [(each - none) / (whole - none).mean() for each in got]


by_hand, by_program, *at_random = share_of([CHAIN, EIGHT, *control])
print("in both:", [head_name(head) for head in CHAIN if head in EIGHT])
plots.table(
    [
        ("the chain, 8 heads", with_error(by_hand)),
        ("EAP-IG, 8 heads", with_error(by_program)),
        ("EAP-IG minus chain, paired", with_error(by_program - by_hand)),
        ("8 random heads, 6 draws", ", ".join(f"{each.mean():.2f}" for each in at_random)),
    ],
    columns=["circuit", "faithfulness on test (± standard error)"],
)

# %%
on_choose = discovery.metric_of_heads(
    model, choose.tokens, source=choose.swapped().tokens, metric=choose.logit_diff
)
K = worst_removal(on_choose, CHAIN, HEADS, size=1)
REMOVALS = {"nothing": [], f"the worst, {head_name(K[0])}": K, "all eight": CHAIN}
pairs = share_of([set(of) - set(gone) for gone in REMOVALS.values() for of in (CHAIN, HEADS)])
lacks = {}
for i, name in enumerate(REMOVALS):
    alone, full = pairs[2 * i : 2 * i + 2]
    lacks[name] = alone, full, full - alone
plots.table(
    [
        (name, *(shown(each.mean().item()) for each in values[:2]), with_error(values[2]))
        for name, values in lacks.items()
    ],
    columns=["K (chosen on choose)", "chain without K", "model without K", "difference (test)"],
)

# %% [markdown]
# Read the last column. With nothing removed, the chain looks nearly complete. With the worst head gone the model keeps most of its behaviour, and the chain loses more than half. So
# other heads can do that head's work, and the chain does not hold them. K = nothing hides this, as it did with the twins.
# The chain is faithful, and here it is **not complete**. At one of three other draws of the prompts the differences were too small to say so: with 16 prompts this is a lead, not a result.

# %% tags=["numbers"]
assert abs(toy_metric(FIVE) - toy_metric(ALL_TOY)) < 0.1
assert toy_metric(set(ALL_TOY) - set(worst)) - toy_metric(set(FIVE) - set(worst)) > 3
assert len(FIVE) == 5 and by_hand.mean() > 0.6 and by_program.mean() > 0.5
assert torch.stack([each.mean().abs() for each in at_random]).median() < 0.2
none_gone, worst_gone, all_gone = (each for _, _, each in lacks.values())
mean, error = mean_and_error(worst_gone - none_gone)
assert mean > 2 * error and none_gone.mean() < 0.5 * worst_gone.mean()
assert all_gone.mean().abs() < 0.15

# %% [markdown]
# ## Going deeper: another contrast
#
# Exchange the first two names: `When John and Mary ..., John gave` against `When Mary and John ..., John gave`. The answer is the same in both, and what
# differs is *where* each name stands. A patch that carries only the position now misleads the model. What do the two scores make of the chain's first link?


# %%
def exchanged(prompts) -> Tensor:
    tokens, (a, b) = prompts.tokens.clone(), (prompts.positions[x] for x in ("IO", "S1"))
    tokens[:, [a, b]] = tokens[:, [b, a]]
    return tokens


FIRST = ("L16H0", "L17KV1.k")
few = ioi.prompts(model, 8, generator=seeded(6))
settings = {"source": exchanged(few), "metric": few.logit_diff}
by_order = {
    "EAP": big.score_of(edge_attribution(model, few.tokens, **settings)),
    "EAP-IG": big.score_of(
        integrated_edges(model, few.tokens, **settings, steps=5, attribute=edge_attribution)
    ),
}
order_effect = link_effect(*FIRST, test, exchanged(test))
plots.table(
    [
        (
            "S2 swapped",
            with_error(effect[FIRST]),
            *(f"{round(guess[m][FIRST], 2) + 0:+.2f}" for m in guess),
        ),
        ("names exchanged", with_error(order_effect))
        + tuple(f"{by_order[m][FIRST]:+.2f}" for m in by_order),
    ],
    columns=["L16H0 -> L17KV1.k", "exact patch (logits, ± SE)", "EAP", "EAP-IG"],
)

# %% [markdown]
# Now the first link is strong, and *the repair fails on it*. EAP gives it the right sign and a small part of its effect. EAP-IG gives it almost nothing,
# or the opposite sign: halfway between the two prompts *both* names stand at *both* places, so there is no position to read. A straight way between two embeddings can lead through
# inputs that no prompt has.
#
# TransformerLens has edge attribution too, position by position (`transformer_lens.tools.analysis.attribution_patching`). It refuses models with grouped-query attention.

# %% tags=["numbers"]
mean, error = mean_and_error(order_effect)
assert mean < -1 and mean < -3 * error
assert 0.5 * mean < by_order["EAP"][FIRST] < 0
assert by_order["EAP-IG"][FIRST] > 0.15 * mean

# %% [markdown]
# ## What you found

# %% tags=["results"]
of_ten = {m: recall_of_highest(m, 10) for m in scores}
plots.table(
    [
        (
            "toy: true edges among the ten highest",
            f"EAP {of_ten['EAP, clean run']:.1f} (the last two near 0, with the wrong sign), "
            f"EAP-IG {of_ten['EAP-IG']:.1f}",
            f"ten random edges {10 / len(EDGES):.2f}",
            "",
        ),
        (
            "faithfulness of the 300 highest edges",
            ", ".join(f"{m} {faithful[m][1].mean():.2f}" for m in ("EAP", "EAP-IG")),
            f"300 random edges {shown(faithful['random edges'][1].mean().item())}",
            "EAP-IG's circuits more faithful than EAP's, GPT-2 small (Hanna et al.)",
        ),
        (
            "links of 1.4's chain among the 40 highest edges",
            ", ".join(f"{m} {sum(rank[m][e] <= 40 for e in LINKS)} of 5" for m in guess),
            "40 of 70,651 at random: 0",
            "",
        ),
        (
            "every edge into L20KV0.v: correlation with exact patches",
            ", ".join(f"{m} {alike(m):.2f}" for m in guess),
            "exact patches, 200 edges",
            "",
        ),
        (
            "heads: faithfulness on other names",
            f"chain of 8: {by_hand.mean():.2f}; EAP-IG's 8: {by_program.mean():.2f}",
            f"8 random heads {shown(sum(x.mean().item() for x in at_random) / 6)}",
            "0.87 with 26 heads of 144, GPT-2 small (Wang et al.; scale without a 0)",
        ),
    ],
    columns=["", "ours (toys, SmolLM2-135M-Instruct)", "control", "elsewhere"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. Two heads of a real model are twins. How many runs would it take to look for all pairs? For all triples?
# 2. Find a contrast in which the toy's `embed -> L2H0.v` carries an effect.
# 3. A circuit has a faithfulness of `1.3`. Is that better or worse than `0.7`? What would you report beside it?
# 4. MLP17 stands between two links of the chain. Would you call it part of the circuit? Which patch would decide?
# 5. Into which readers would you patch every edge, in a model that nobody has studied?
#
# ## Common mistakes
#
# - Ranking, choosing a threshold and testing on the same prompts.
# - Checking a method's scores only on the edges that it ranks highest.
# - Calling an edge unimportant because *one* patch in *one* direction and *one* contrast did nothing.
# - Taking the gradient by the stream for the gradient by one reader.
# - Reading faithfulness as "the higher the better". It is best at 1.
#
# ## Where this breaks
#
# The toy's traps are one edge deep; in a real model redundancy has many layers. Edges are scored over all positions together. The chain was itself found by hand with the same kind of patches, so it is a
# referee, not the truth. And normalised faithfulness depends on what the rest is replaced with, on the metric and on the prompts: Miller and colleagues (2024)
# found published circuits much less faithful when such choices changed. EAP-IG's circuits vary with the sample and the wording as well (arXiv 2606.16920).
#
# ## Further reading
#
# - Nanda (2023), *Attribution Patching: Activation Patching At Industrial Scale* (neelnanda.io)
# - Syed, Rager and Conmy (2023), *Attribution Patching Outperforms Automated Circuit Discovery*, arXiv 2310.10348
# - Hanna, Pezzelle and Belinkov (2024), *Have Faith in Faithfulness*, arXiv 2403.17806
# - Conmy et al. (2023), *Towards Automated Circuit Discovery for Mechanistic Interpretability*, arXiv 2304.14997
# - Wang et al. (2022), *Interpretability in the Wild*, arXiv 2211.00593
# - Miller, Chughtai and Saunders (2024), *Transformer Circuit Faithfulness Metrics Are Not Robust*, arXiv 2407.08734
# - Models with known circuits: Lindner et al. (2023), *Tracr*, arXiv 2301.05062; Gupta et al. (2024), *InterpBench*, arXiv 2407.14494
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.4 · Patching: what moves, and when?](14_patching.ipynb) | **Next:** [2.1 · A probe that looks like truth](21_a_probe_that_looks_like_truth.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/14_patching.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/21_a_probe_that_looks_like_truth.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("15")
