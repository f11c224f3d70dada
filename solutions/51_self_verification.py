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
# # 5.1 · How a reasoning model checks itself
#
# [![Open lesson 5.1 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.3 · Features of a real model, and of a random one](43_features.ipynb) | **Next:** [5.2 · Keep thinking or stop](52_keep_thinking.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/52_keep_thinking.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. follow a verdict **top-down**, from the word that is said to neurons, and **bottom-up**, from the number that is looked at to heads, and let the two meet;
# 2. run a published protocol step by step, beside the controls and the measures that it lacks;
# 3. find out with matched donors what a head carries, and not only that it is needed.
#
# **Time** one hour for the core, and 40 minutes for *Going deeper*. **Needs** lesson 2.1: probes; 1.4: patching; 1.3: what heads and MLPs write.
# **Runs** in about a minute and a half on a laptop's processor.
#
# **First, play.** The third cell shows a model that searches for a sum and judges its own tries, twice: as it is, and with two of its 48 heads ablated wherever it is about to judge.
# Change the numbers and the target, and run it again. What does the second one do when it has hit the target?

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
import json, random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.countdown import task as countdown
from utils import plots, stats
from utils.cases import verification
from utils.cases.verification import Places, Positions, without_neurons
from utils.checks import lesson_51
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.heads import Head, head_name, random_heads, top_heads
from utils.lesson import claim
from utils.models import load
from utils.reading import probes

model = load("countdown/seed_0")
n_layers, n_heads, device = model.cfg.n_layers, model.cfg.n_heads, model.cfg.device
shipped = json.loads((root / "data" / "countdown" / "report.json").read_text())

mine = countdown.Puzzle(numbers=(12, 7, 4), target=15)  # yours: 3 or 4 numbers from 1 to 32
two = [(1, 0), (1, 6)]  # section 4 finds them


def told(heads) -> str:
    """What the model writes, with these heads ablated wherever it is about to judge."""
    words = verification.write(model, [mine.header])
    first = verification.brackets(model, [mine], words).take(torch.tensor([0]))
    (rest,) = verification.write_on(
        model, first, lambda at: verification.without_heads(model, heads, at=at), n_tokens=60
    )
    return " ".join([*mine.header, *words[0][: words[0].index("(") + 1], *rest])


print("As it is:          ", told([]))
print("Two heads ablated: ", told(two))

# %% [markdown]
# ## 1. A model that says when it is done
#
# The game is CountDown: reach a target from three or four numbers by + and -, using each once. The model tries, says in brackets what it thinks of the try, and goes on until it is content. The word after a `(` is its **verdict**: `this works` accepts the try, `not 15` rejects it and names the target.
#
# As it is, the model stops at its first success. With two heads ablated it says of the target that it is *not* the target, and goes on searching. How would you have found these two?
#
# Lee and others asked how a reasoning model verifies its own answers (arXiv 2504.14379). A chain of thought need not say what a model computes, so they looked for the check in its hidden states. Their model learnt CountDown by reinforcement learning, and its texts collapsed into one form, in which each try ends in `(this works)` or `(not 62)`. This *mode collapse* makes the study possible: thousands of verdicts, all at the same kind of position.
#
# | | theirs | ours |
# |---|---|---|
# | model | Qwen2.5-3B: 36 layers of 16 heads | 600,000 parameters: 6 layers of 8 heads |
# | learnt by | reward for right answers | imitation of searches that a program wrote, whose verdicts are all right |
# | verdicts | `(this works)`, `(not 62)` | the same |
#
# So you study how *this* model checks, by *their* method. (*Going deeper* has a rewarded model.) The part of a text up to the colon is its **header**; up to seven filler words stand before `make`, so that the target has no fixed position.
#
# Here is the hypothesis. Each arrow is a claim to test, and the picture comes back at the end, coloured.

# %%
BOXES = {
    "target<br>in the header": (0, 0),
    "result<br>just written": (1.6, 0),
    "heads that attend<br>to the target": (0, 1),
    "comparison": (0.8, 2),
    "valid and invalid<br>neurons": (0.8, 3),
    "verdict: the word<br>after the bracket": (0.8, 4),
}
ARROWS = [
    ("target<br>in the header", "heads that attend<br>to the target"),
    ("heads that attend<br>to the target", "comparison"),
    ("result<br>just written", "comparison"),
    ("comparison", "valid and invalid<br>neurons"),
    ("valid and invalid<br>neurons", "verdict: the word<br>after the bracket"),
]
figures.diagram(BOXES, ARROWS, title="The hypothesis: how a result becomes a verdict")

# %% [markdown]
# Look at each position where a verdict is due: a `(` after a number. It is a **hit** if the number *is* the target, and a **miss** if not, whatever the model says.
#
# The cell lets the model write searches for 300 puzzles with sets of numbers that it has not learnt from. Probes, neurons and heads are *chosen* on the first half. What they do is *measured* on the second: at hits that the model accepts and misses that it rejects.

# %%
chosen, hits, misses, ability = verification.judged_positions(model, 300)
is_hit, accepts = chosen.hit.cpu(), verification.accepted(model, chosen)
known = {"hits": chosen.where(is_hit & accepts), "misses": chosen.where(~is_hit & ~accepts)}
print({name: round(value, 3) for name, value in ability.items()})
print(f"{len(chosen.pos)} positions to choose on; {len(hits.pos)} hits, {len(misses.pos)} misses")

# %% [markdown]
# The model solves **0.82** of the puzzles. What you study is its verdicts, and nearly all of them are right.

# %% tags=["numbers"]
claim("solved", ability["solved"], text=0.82, within=0.05)
assert ability["verdicts right"] > 0.99

# %% [markdown]
# ## 2. Top-down: where can the verdict be read?
#
# **Top-down** means from the word that is said back to what made it. The first step is lesson 2.1's: a probe at each layer, for hits against misses. You look at three positions: the `=`, where the sum is not written yet (a control), the **result** itself, and the **bracket** after it.

# %%
predict(
    "51.place",
    "Before block 3 (of 0 to 5), where does a probe tell hits from misses?",
    choices=["at the result and at the bracket", "at the result alone", "at the bracket alone"],
)

# %%
labels = is_hit.int()


def auc_by_layer(back: int, labels=labels) -> list[float]:
    """How well a probe of each layer tells hits from misses, so many tokens before the bracket."""
    fit, *test = (verification.resid_at(model, some, back=back) for some in (chosen, hits, misses))
    found = [probes.mean_difference(layer, labels) for layer in fit]
    return [
        verification.verdict_auc(*(probe.scores(part[layer]) for part in test))
        for layer, probe in enumerate(found)
    ]


auc = {place: auc_by_layer(back) for place, back in verification.SPOTS.items()}
where = tuple(auc[place][3] > 0.9 for place in ("result", "bracket"))
outcome(
    "51.place",
    "at the result and at the bracket"
    if all(where)
    else "at the bracket alone"
    if where[1]
    else "at the result alone",
)
plots.lines(
    {"at the bracket": auc["bracket"], "at the result": auc["result"], "at = (control)": auc["="]},
    title="Where can a probe tell hits from misses?",
    x="layer (the stream before block L; 6 is after the last block)",
    y="AUC on other puzzles",
    chance=0.5,
).update_xaxes(dtick=1)

# %% [markdown]
# At the bracket the verdict is there before block 2 (AUC **0.99**), and it is not there before block 1 (**0.53**). The result and the `=` stay near chance. So what the verdict needs comes together *at the bracket*, and early.
#
# (A probe finds what a straight line can read; the result could hold something that none can.)

# %% tags=["numbers"]
claim("bracket, before block 2", auc["bracket"][2], text=0.99, within=0.02)
claim("bracket, before block 1", auc["bracket"][1], text=0.53, within=0.07)
assert max(*auc["result"], *auc["="]) < 0.65 and min(auc["bracket"][2:]) > 0.97

# %% [markdown]
# ## 3. Top-down: the neurons that write the verdict
#
# The MLPs here are **gated linear units** (GLU), as in Qwen. A neuron reads the stream $x$ with a *gate* vector $g$ and an *up* vector $u$, and writes its *out* vector $o$, times $\text{silu}(g \cdot x)\,(u \cdot x)$. The paper takes the neurons whose out vector points along the probe: **valid** neurons write along it, **invalid** ones against it.
#
# As published, each layer of the upper half uses *its own* logistic probe, fitted at the bracket after its block. They take 50 of 11,008 neurons a layer and sign; we fixed 20 of 176 before we looked.
#
# ### Exercise 1 · the neurons along a layer's own probe (10 minutes, medium)


# %% tags=["exercise:utils.cases.verification.neurons_along"]
def neurons_along(
    model, directions: Float[Tensor, "layer d_model"], n: int, *, sign: int = 1
) -> dict[int, Int[Tensor, " n"]]:
    """The `n` neurons of each layer that write most along this layer's own direction, by cosine.

    Args:
        model: `W_out` is [layer, neuron, d_model], what each neuron writes when it is 1.
        directions: one for each layer of the model.
        sign: 1 takes those that write along it, -1 those that write against it.

    Returns:
        Layer -> the neurons' numbers, in any order, for the upper half: `n_layers // 2` and up.
    """
    ### BEGIN SOLUTION
    W_out = model.W_out.detach().float().cpu()  # [layer, neuron, d_model]
    cosines = torch.cosine_similarity(W_out, directions[:, None], dim=-1)
    return {
        layer: (sign * cosines[layer]).topk(n).indices
        for layer in range(len(W_out) // 2, len(W_out))
    }
    ### END SOLUTION


# %% tags=["check"]
neurons_along = lesson_51.check_neurons_along(neurons_along)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The upper half of `n` layers begins at layer `n // 2`. For one layer: the cosines of the rows of `model.W_out[layer]` with `directions[layer]`, then the `n` largest.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.cosine_similarity(rows, direction, dim=-1)` gives one number for each neuron. With `sign=-1`, the smallest cosines are the largest of `sign * cosines`; `.topk(n).indices` are their numbers. Detach the weights.
#
# </details>

# %% [markdown]
# What do these neurons say? Multiply each out vector by the unembedding: does it promote `this` above `not`? Control: all neurons of the layer.

# %%
own = verification.own_probes(model, chosen)  # [layer, d_model]: each after its block, at brackets
valid = neurons_along(model, own, 20)
invalid = neurons_along(model, own, 20, sign=-1)
both = verification.both(valid, invalid)
says = (model.W_out @ (model.W_U * model.ln_final.weight[:, None])).detach().cpu()
THIS, NOT = verification.YES_TOKENS[0], verification.NO_TOKENS[0]
for_this = says[..., THIS] > says[..., NOT]  # [layer, neuron]
plots.table(
    [
        (
            layer,
            *(
                f"{for_this[layer][some].float().mean():.2f}"
                for some in (valid[layer], invalid[layer], slice(None))
            ),
        )
        for layer in valid
    ],
    columns=["layer", "valid neurons", "invalid neurons", "all neurons"],
)

# %% [markdown]
# The table gives the share that does: most valid neurons, few invalid ones, about half of all.
#
# Are they *needed*? As published: set them to 0 at the bracket only, let the model write on for 50 tokens, and read what it writes. (Whenever the last word is a `(`, the next word comes from a run with the neurons at 0: `verification.write_on`.) The check counts as **disabled** if the text neither says `this works` nor ends.

# %%
predict(
    "51.neurons",
    "Valid and invalid neurons at 0: in what share of hits is the check disabled? The paper: 0.45.",
    choices=["below 0.1", "0.1 to 0.6", "above 0.6"],
)

# %%
rows = {
    "nothing": lambda at: nullcontext(),
    "GLU valid": lambda at: without_neurons(model, valid, at=at),
    "GLU valid and invalid": lambda at: without_neurons(model, both, at=at),
}
some_neurons = verification.random_neurons(
    40, layers=valid, d_mlp=model.cfg.d_mlp, generator=torch.Generator().manual_seed(0)
)
rows["as many random neurons"] = lambda at: without_neurons(model, some_neurons, at=at)
measured = {name: verification.measured(model, hits, misses, rows[name]) for name in rows}
without_both = measured["GLU valid and invalid"]["disabled"]
outcome(
    "51.neurons",
    "below 0.1" if without_both < 0.1 else "0.1 to 0.6" if without_both <= 0.6 else "above 0.6",
)


def shown(found: dict[str, float]) -> tuple[str, ...]:
    """What is left of the verdicts, as a row of a table."""
    left = found["gap"] / measured["nothing"]["gap"]
    return tuple(f"{value:.2f}" for value in (found["disabled"], left, found["auc"], found["sums"]))


COLUMNS = ["out", "disabled", "gap left", "AUC", "sums right"]
plots.table([(name, *shown(found)) for name, found in measured.items()], columns=COLUMNS)

# %% [markdown]
# "Disabled" is the paper's measure, and it saturates: a verdict may lose most of its strength before a word changes. So three columns are added. **Gap left**: the mean log-odds of yes at hits minus that at misses, as a share of the whole model's. **AUC**: do verdicts still rank hits above misses? **Sums right**: are sums still right with this out of the *whole* text?
#
# No check is disabled: this step did *not* replicate. But both kinds of neurons carry about a quarter of the gap, and random ones little. Other layers write the verdict too: by section 2 it can be read long before block 3.

# %% tags=["numbers"]
whole = measured["nothing"]["gap"]
left = {name: found["gap"] / whole for name, found in measured.items()}
assert max(found["disabled"] for found in measured.values()) < 0.05
assert 0.6 < left["GLU valid and invalid"] < 0.85 < left["as many random neurons"]
yes_valid, yes_invalid = (
    [for_this[at][some[at]].float().mean() for at in some] for some in (valid, invalid)
)
assert min(yes_valid) > 0.6 > 0.4 > max(yes_invalid)

# %% [markdown]
# ## 4. Bottom-up: heads that look at the target
#
# **Bottom-up** means from what a check must read. To judge a result, something must look at the target. As published: a head *attends* if, at the token before the bracket, it gives the target on average more than `0.1` of its attention. That token is the result. We also look from the bracket, since section 2 found the verdict there, and beside hits we show misses: a head that finds the target only where it equals the result would be a matching head.

# %%
looks = {
    (place, kind): verification.attention(
        model, some, some.target, back=verification.SPOTS[place]
    ).mean(-1)
    for place in ("result", "bracket")
    for kind, some in known.items()
}
panels = [("result", "hits"), ("bracket", "hits"), ("bracket", "misses")]
plots.heatmap(
    {f"from the {place}, {kind}": looks[place, kind] for place, kind in panels},
    title="Attention to the target: heads of layer 1, from the bracket, on hits as on misses",
    x="head",
    y="layer",
    ends=(0, 1),
    text="values",
)

# %% [markdown]
# From the bracket L1H0 and L1H6 give the target nearly all of their attention, on misses as on hits. So they look at it in any case. From the result, a few heads pass the threshold with far less.
#
# (The paper calls its heads "previous-token heads", since they attend to an earlier occurrence of the same token. Elsewhere that is a *duplicate-token head*, and a *previous-token head* looks one token back, as those of section 7.)
#
# ### Exercise 2 · ablate heads at some places (15 minutes, medium)
#
# Write a context manager, so that `with without_heads(model, heads, at=at): ...` ablates heads at chosen places, or everywhere, in whatever runs inside.


# %% tags=["exercise:utils.cases.verification.without_heads"]
@contextmanager
def without_heads(
    model,
    heads: Sequence[Head],
    *,
    at: Places | None = None,
) -> Iterator[None]:
    """Within it, these heads write zeros: their output `hook_z` is zero-ablated.

    On leaving, also by an error, its own hooks go away and others stay. The `z` that a hook is
    given is not changed itself.

    Args:
        heads: pairs (layer, number), of any layers.
        at: of each place to zero the text, and the position in it: two tensors of one length, which
            go in pairs. All heads are zeroed at all places; without `at`, everywhere.
    """
    ### BEGIN SOLUTION
    numbers: dict[int, list[int]] = {}
    for layer, head in heads:
        numbers.setdefault(layer, []).append(head)

    def zero(z, hook):
        z = z.clone()
        for head in numbers[hook.layer()]:
            if at is None:
                z[:, :, head] = 0
            else:
                z[at[0], at[1], head] = 0
        return z

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", zero) for layer in numbers]):
        yield
    ### END SOLUTION


# %% tags=["check"]
without_heads = lesson_51.check_without_heads(without_heads)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Sort the heads by layer first. Each layer needs one hook, on `blocks.{layer}.attn.hook_z`, whose activation is [text, pos, head, d_head]. Open `model.hooks(fwd_hooks=[(name, function), ...])` in a `with`, and `yield` inside it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# One function serves all layers: `hook.layer()` says where it runs. Clone `z`. With `text, pos = at`, `z[text, pos, head] = 0` zeroes one head at the pairs of places. Without `at`, it is `z[:, :, head] = 0`.
#
# </details>

# %% [markdown]
# Meet the model without its two heads.

# %%
for name, some in (("hits", hits), ("misses", misses)):
    with without_heads(model, two, at=some.at(0)):
        yes = verification.accepted(model, some).float().mean()
    print(f"{name}: {yes:.2f} accepted without L1H0 and L1H6 at the bracket")

# %% [markdown]
# ## 5. Meeting in the middle, as published
#
# Which of the attending heads write what opens the valid neurons? The authors' code scores a head by its **signed drive**. It takes the diagonal $d$ of the head's OV circuit, one number for each dimension of the stream: roughly what the head *copies*. Then it asks what each of the most valid neurons makes of $d$, $\text{silu}(g \cdot d)\,(u \cdot d)$, and takes the mean. The three attending heads with the highest drive are the paper's three: without them, 95% of checks were disabled.
#
# ### Exercise 3 · the signed drive (15 minutes, hard)


# %% tags=["exercise:utils.cases.verification.signed_drive"]
def signed_drive(model, neurons: Sequence[tuple[int, int]]) -> Float[Tensor, "layer head"]:
    """How far each head opens neurons with what it copies, signed: the mean over the neurons.

    A head's copying direction d is the diagonal of its OV circuit, W_V W_O, one entry for each
    dimension of the stream. What a neuron makes of it is silu(gate . d) (up . d), with the neuron's
    columns of `W_gate` and `W_in`. All neurons count for each head, and nothing is normalised.

    Args:
        model: `W_V` is [layer, kv_head, d_model, d_head], where several heads may share one (the
            first `n_heads / n_kv_heads` share the first); `W_O` is [layer, head, d_head, d_model];
            `W_gate` and `W_in` (up) are [layer, d_model, neuron].
        neurons: pairs (layer, neuron).

    Source: the code of Lee et al., 2025 (github.com/ajyl/verify_circuit).
    """
    ### BEGIN SOLUTION
    W_V, W_O = model.W_V.detach().float(), model.W_O.detach().float()
    W_V = W_V.repeat_interleave(W_O.shape[1] // W_V.shape[1], dim=1)
    copied = torch.einsum("lhdk,lhkd->lhd", W_V, W_O)
    gate = torch.stack([model.W_gate[layer, :, i].detach().float() for layer, i in neurons])
    up = torch.stack([model.W_in[layer, :, i].detach().float() for layer, i in neurons])
    opened = torch.nn.functional.silu(copied @ gate.T) * (copied @ up.T)  # [layer, head, neuron]
    return opened.mean(-1)
    ### END SOLUTION


# %% tags=["check"]
signed_drive = lesson_51.check_signed_drive(signed_drive)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Begin with one head: its OV circuit is `W_V[layer, kv] @ W_O[layer, head]`, [d_model, d_model], and you need the diagonal alone. Which `kv` has head 5, if four heads share each?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `W_V.repeat_interleave(n, dim=1)`, with `n` heads for each key-value head, gives every head its own copy. Then `torch.einsum("lhdk,lhkd->lhd", W_V, W_O)` is all diagonals at once. Stack the neurons' gate vectors `W_gate[layer, :, i]` and up vectors `W_in[layer, :, i]`: two products with the diagonals, [layer, head, neuron] each. `torch.nn.functional.silu` of the first, times the second, mean over the neurons.
#
# </details>

# %%
most_valid = verification.most_aligned(model, own, 40, each=20)  # theirs: 200 of all layers
drive = signed_drive(model, most_valid)


def attending_from(*places: str) -> list[tuple[int, int]]:
    """The heads that attend to the target from any of these places, highest drive first."""
    most = torch.stack([looks[place, "hits"] for place in places]).amax(0)
    return sorted(map(tuple, (most > 0.1).nonzero().tolist()), key=lambda head: -drive[head])


def heads_out(heads):
    """A change: these heads out of the whole text, wherever a verdict is due, as published."""
    return lambda at: without_heads(model, heads)


rules = {
    "result": attending_from("result"),
    "result or bracket": attending_from("result", "bracket"),
}
print({place: " ".join(map(head_name, heads)) for place, heads in rules.items()})
for place, heads in rules.items():
    for name, some in ((f"{len(heads)} attending, {place}", heads), (f"top 3, {place}", heads[:3])):
        measured[name] = verification.measured(model, hits, misses, heads_out(some))
by_attention = sorted(rules["result or bracket"], key=lambda head: -looks["bracket", "hits"][head])
measured["3 of most attention"] = verification.measured(
    model, hits, misses, heads_out(by_attention[:3])
)
draw = torch.Generator().manual_seed(0)
pick = {"layers": range(n_layers), "n_heads": n_heads, "but": by_attention[:3], "generator": draw}
measured["3 random heads"] = verification.measured(
    model, hits, misses, heads_out(random_heads(3, **pick))
)
plots.table([(name, *shown(found)) for name, found in measured.items()], columns=COLUMNS)

# %% [markdown]
# Read the table from above.
#
# - **Attending heads as published**, read at the result: nothing is disabled. The heads that look at the target from the result are not the ones that check.
# - **Attending heads, read at the bracket too**: every check is disabled, the gap is gone, and the sums are right. So the paper's idea holds here, once it is asked at the place where the check is made.
# - **The top three by signed drive** do nothing, by either reading. L1H0 and L1H6, which attend most, come *last* in that ranking. Three heads taken by attention alone do what the paper's three do.
#
# Now six models that differ only by the seed of their training: 300 puzzles, 20 neurons, `0.1` and three heads throughout. (`data/countdown/make.py` computed this, with the functions that you have just used.)

# %%
SEEDS = [f"seed_{seed}" for seed in range(6)]
STEPS = {
    "GLU valid": "GLU valid",
    "GLU valid and invalid": "both",
    "attending, published": "attending, as published",
    "top, published": "top 3 of these by drive",
    "attending, bracket too": "attending, bracket too",
    "attending, next word too": "... or to the next word",
    "top, next word too": "top 3 of these by drive",
    "by attention": "3 of most attention",
    "random heads": "3 random heads",
}


def cell(found: dict, whole: dict) -> str:
    """Disabled, and the gap left; the means of several draws."""
    mean = {
        key: sum(each) / len(each) if isinstance(each := found[key], list) else each
        for key in ("disabled", "gap")
    }
    return f"{mean['disabled']:.2f} · {mean['gap'] / whole['gap']:.2f}"


def seed_rows(names) -> list[tuple[str, ...]]:
    return [
        (
            name,
            *(
                cell(shipped[name]["without"][step], shipped[name]["without"]["nothing"])
                for step in STEPS
            ),
        )
        for name in names
    ]


PAPER = ("paper (disabled alone)", "0.16", "0.45", "0.96 (33 heads)", "0.95", *[""] * 5)
plots.table([*seed_rows(SEEDS), PAPER], columns=["disabled · gap left", *STEPS.values()])

# %% [markdown]
# Read it by columns.
#
# - **Neurons**: nothing is disabled in any seed, and a part of the gap goes. This step did not replicate.
# - **Attending heads, as published**: nothing, in six of six. No seed makes its check at the result.
# - **Bracket too**: all six but `seed_2` lose at least **0.9** of their checks. The heads of `seed_2` look at `from`, the word *after* the target: layer 0 has copied the target there. Allow that word, and `seed_2` loses them too. (This rule was made for `seed_2` after the fact. In `seed_5` it takes in a head that sums need: **0.81** stay right.)
# - **Drive**: of the widest rule's heads, the three of highest drive never disable more than the three of most attention, and in five seeds much less. (`seed_3` has three such heads that matter, and both choose them.) So here the neurons do not help to choose among the heads. Attention to the target, from the place where the check is made, does.
# - **Three random heads**: on average less than a fifth.


# %% tags=["numbers"]
def over(step: str, key: str = "disabled") -> list[float]:
    """One measure in each seed; the mean where there are several draws."""
    found = [shipped[name]["without"][step][key] for name in SEEDS]
    return [sum(each) / len(each) if isinstance(each, list) else each for each in found]


bracket, wide = over("attending, bracket too"), over("attending, next word too")
assert max(over("GLU valid and invalid") + over("attending, published")) < 0.02
assert min(bracket[:2] + bracket[3:]) > 0.9 and bracket[2] == 0 and wide[2] > 0.9
claim("least, bracket too", min(bracket[:2] + bracket[3:]), text=0.9, within=0.05)
claim("seed_5, sums", over("attending, next word too", "sums")[5], text=0.81, within=0.05)
assert all(a >= b for a, b in zip(over("by attention"), over("top, next word too"), strict=True))
assert max(over("random heads")) < 0.2
live = measured[f"{len(rules['result or bracket'])} attending, result or bracket"]
kept = shipped["seed_0"]["without"]["attending, bracket too"]
assert all(abs(live[key] - kept[key]) < 0.1 for key in ("disabled", "gap", "sums"))

# %% [markdown]
# ## 6. Heads out: do the verification neurons fall silent?
#
# The paper closes its argument so: with the heads out, the valid neurons should stop responding. A neuron's activity is its factor of the out vector, `mlp.hook_post`. Measure it at the same positions, with and without heads.
#
# ### Exercise 4 · the activity of some neurons (10 minutes, medium)


# %% tags=["exercise:utils.cases.verification.neuron_activity"]
def neuron_activity(
    model, positions: Positions, neurons: Sequence[tuple[int, int]]
) -> Float[Tensor, "position neuron"]:
    """How far each neuron is on at each position: its factor of its out vector, `mlp.hook_post`.

    Args:
        positions: `positions.tokens` is [text, pos]; position i is in text `positions.text[i]`, at
            `positions.pos[i]`. A text may hold several.
        neurons: pairs (layer, neuron), of any layers, in the order of the result's columns.
    """
    ### BEGIN SOLUTION
    kept = {}

    def keep(post, hook):
        kept[hook.layer()] = post[positions.text, positions.pos]

    names = {f"blocks.{layer}.mlp.hook_post" for layer, _ in neurons}
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(positions.tokens)
    return torch.stack([kept[layer][:, neuron] for layer, neuron in neurons], dim=1)
    ### END SOLUTION


# %% tags=["check"]
neuron_activity = lesson_51.check_neuron_activity(neuron_activity)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A hook can also read: let it keep `post[positions.text, positions.pos]`, [position, d_mlp], for its layer, and change nothing. Which layers need one?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `model.hooks(fwd_hooks=[(f"blocks.{layer}.mlp.hook_post", keep), ...])`, run the model on `positions.tokens` inside, then take for each (layer, neuron) one column of what was kept, and `torch.stack` them with `dim=1`.
#
# </details>

# %%
neurons = [(layer, neuron) for layer in valid for neuron in valid[layer].tolist()]
target_heads = rules["result or bracket"]
others = [(1, head) for head in range(n_heads) if (1, head) not in target_heads]
OUT = {"nothing": [], "attending heads": target_heads, "other heads of layer 1": others}
means = {}
for name, heads in OUT.items():
    for kind, some in (("hits", hits), ("misses", misses)):
        with without_heads(model, heads, at=some.at(0)):
            found = neuron_activity(model, some, neurons).cpu()
        means[name, kind] = found.view(len(found), len(valid), -1).mean((0, 2))  # [layer]
plots.lines(
    {
        "hits, whole model": means["nothing", "hits"],
        "hits, other heads of layer 1 out": means["other heads of layer 1", "hits"],
        "hits, attending heads out": means["attending heads", "hits"],
        "misses, whole model": means["nothing", "misses"],
    },
    at=list(valid),
    title="Without the attending heads, valid neurons are at hits what they are at misses",
    x="layer",
    y="mean activity",
).update_xaxes(dtick=1)

# %% [markdown]
# Without the attending heads the valid neurons treat a hit like a miss: their activity falls to what it is at misses. Without the other heads of the same layer it stays. So the chain holds in this direction: heads, then neurons, then the word.

# %% tags=["numbers"]
response = {name: (means[name, "hits"] - means[name, "misses"]).sum().item() for name in OUT}
assert abs(response["attending heads"]) < 0.1 * response["nothing"]
assert response["other heads of layer 1"] > 0.8 * response["nothing"]

# %% [markdown]
# ## 7. Needed is not enough: what do the heads carry?
#
# A head whose removal stops the check is *needed*. What does it *carry*? Three answers fit all that you have seen:
#
# - A. the **verdict**: "this is a hit";
# - B. a **match**: the target, but only where it equals the result;
# - C. the **value** of the target, in any case. The comparison comes later.
#
# Lesson 1.4's patching can tell: put the heads' states from a **donor**, another position, into a miss, at the bracket. Suppose that a colleague has used three kinds of donor: another miss; a hit with another target; and a *matched hit*, whose target is the number that this miss has as its result. The model accepts the miss from the matched hit alone. "So the heads carry a match", says your colleague.
#
# ### Exercise 5 · the missing donor (10 minutes, medium)
#
# That does not follow: C predicts the same for these three. One kind of donor is missing that tells B from C. Write the function that finds donors of all four kinds.


# %% tags=["exercise:utils.cases.verification.allowed_donors"]
def allowed_donors(
    target: Int[Tensor, " donor"],
    result: Int[Tensor, " donor"],
    wanted: Int[Tensor, " position"],
    *,
    hit: bool,
    matched: bool,
) -> Bool[Tensor, "position donor"]:
    """Which donors may give their state to which position, for one of four kinds of donor.

    Args:
        target, result: of each donor. It is a hit where the two are equal, and a miss elsewhere.
        wanted: of each position that is changed, the number that it has as its result. A donor is
            *matched* to the position if the donor's target is this number, whatever its result.
        hit: whether the donor shall be a hit, or else a miss.
        matched: whether it shall be matched, or else not.
    """
    ### BEGIN SOLUTION
    is_hit = target == result
    is_matched = target == wanted[:, None]
    return (is_hit == hit) & (is_matched == matched)
    ### END SOLUTION


# %% tags=["check"]
allowed_donors = lesson_51.check_allowed_donors(allowed_donors)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two questions, each with True or False: is the donor a hit (one answer a donor), and is it matched to this position (one answer for each position and donor)? Compare each with what is asked for.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `target == wanted[:, None]` has shape [position, donor]. `(a == b)` of two booleans is True where they agree; join the two conditions with `&`.
#
# </details>

# %%
predict(
    "51.donors",
    "From which of the four donors will the model accept a miss?",
    choices=[
        "both hits (A: the verdict)",
        "the matched hit alone (B: a match)",
        "the matched hit and the matched miss (C: the value)",
    ],
)

# %%
early = chosen.where(chosen.pos < 64)  # short texts run faster


def patched(heads, *, swap: bool = False) -> dict[str, float]:
    """Misses accepted with heads' states put in at the bracket, for each kind of donor."""
    how = {"allowed": allowed_donors, "swap": swap, "heads": heads, "backs": (0,)}
    return verification.donor_cells(model, early, misses, **how)


cells = {
    "heads that attend to the target": patched(target_heads),
    "other heads of layer 1": patched(others),
}
high = {kind for kind, share in cells["heads that attend to the target"].items() if share > 0.5}
any_hit, any_match = "other hit" in high, "matched miss" in high
outcome(
    "51.donors",
    "both hits (A: the verdict)"
    if any_hit
    else "the matched hit and the matched miss (C: the value)"
    if any_match
    else "the matched hit alone (B: a match)",
)
plots.table(
    [(name, *(f"{share:.2f}" for share in found.values())) for name, found in cells.items()],
    columns=["misses accepted, states from", *verification.KINDS],
)

# %% [markdown]
# It is C. A matched *miss* does as well as a matched hit: its heads hold the target's value, and nothing that says whether their own text was a hit.
#
# **The other side.** A comparison needs two numbers. Who brings the *result* to the bracket? Layer 0 has true previous-token heads. For them the same four cells can be asked the other way round: the donor's *result* is what the miss has as its *target*. (`swap=True` hands your function the two numbers exchanged.)

# %%
to_result = verification.attention(model, known["hits"], known["hits"].pos - 1).mean(-1)
previous = [(0, head) for head in range(n_heads) if to_result[0, head] > 0.5]
cells["previous-token heads of layer 0"] = patched(previous, swap=True)
for name, some in (("hits", hits), ("misses", misses)):
    with without_heads(model, previous, at=some.at(0)):
        print(
            f"{name}: {verification.accepted(model, some).float().mean():.2f} accepted without",
            *map(head_name, previous),
        )
plots.table(
    [(name, *(f"{share:.2f}" for share in found.values())) for name, found in cells.items()],
    columns=["misses accepted, states from", *verification.KINDS],
)

# %% [markdown]
# The same pattern: these heads carry the value of the result. So both numbers come to the bracket, each by heads of its own. Where are they compared? Put in the whole stream at the bracket, from any *unmatched* hit, before each block.

# %%
streams = {
    layer: verification.donor_cells(
        model, early, misses, whole=[f"blocks.{layer}.hook_resid_pre"], backs=(0,)
    )["other hit"]
    for layer in (1, 2, 3)
}
print({f"before block {layer}": round(share, 2) for layer, share in streams.items()})

# %% [markdown]
# Before block 1 the stream brings no yes to another text; before block 2 it does. But a hit's stream holds *two equal numbers*, so this shows that both have arrived, and not that they have been compared. Where that is done is not shown here.

# %% tags=["numbers"]
attend, mirror = cells["heads that attend to the target"], cells["previous-token heads of layer 0"]
for found in (attend, mirror):
    assert min(found["matched hit"], found["matched miss"]) > 0.7
    assert max(found["other hit"], found["other miss"]) < 0.1
assert max(cells["other heads of layer 1"].values()) < 0.1
assert streams[1] < 0.1 and streams[2] > 0.9

# %% [markdown]
# ## 8. The circuit, coloured
#
# Orange is what ablation *and* donors support in this model. White is what the evidence does not show.

# %%
FOUND = {
    "target<br>in the header": (0, 0),
    "result<br>just written": (2, 0),
    "L1H0, L1H6 attend<br>to the target": (0, 1),
    "previous-token heads<br>of layer 0": (2, 1),
    "both values<br>at the bracket": (1, 2),
    "comparison<br>(not located)": (1, 3),
    "valid and invalid<br>neurons, blocks 3 to 5": (0, 4),
    "verdict: the word<br>after the bracket": (1, 5),
}
LINKS = [
    ("target<br>in the header", "L1H0, L1H6 attend<br>to the target"),
    ("result<br>just written", "previous-token heads<br>of layer 0"),
    ("L1H0, L1H6 attend<br>to the target", "both values<br>at the bracket", "value"),
    ("previous-token heads<br>of layer 0", "both values<br>at the bracket", "value"),
    ("both values<br>at the bracket", "comparison<br>(not located)"),
    ("comparison<br>(not located)", "verdict: the word<br>after the bracket"),
    ("comparison<br>(not located)", "valid and invalid<br>neurons, blocks 3 to 5"),
    ("valid and invalid<br>neurons, blocks 3 to 5", "verdict: the word<br>after the bracket"),
]
figures.diagram(
    FOUND,
    LINKS,
    title="What was found: two values meet at the bracket",
    marked=list(FOUND)[2:5],
)

# %% [markdown]
# All six, by **role** instead of head number. Heads of a layer are exchangeable.


# %%
def silent(name: str) -> str:
    """The valid neurons' response to hits that is left without the attending heads."""
    was = shipped[name]["activity"]
    gap = was["hits, whole"] - was["misses, whole"]
    return f"{(was['hits, out'] - was['misses, out']) / gap:.2f}"


def role(name: str) -> tuple[str, ...]:
    study = shipped[name]
    first = next(i for i, value in enumerate(study["readable"]["bracket"]) if value > 0.9)
    heads = study["next word too"]["attending"]
    fours = (
        " · ".join(f"{share:.2f}" for share in study["donors"][number].values())
        for number in ("target", "result")
    )
    return (
        name,
        str(first),
        f"{max(study['readable']['result']):.2f}",
        str(len(heads)),
        silent(name),
        *fours,
    )


plots.table(
    [role(name) for name in SEEDS],
    columns=[
        "",
        "bracket: first layer with AUC > 0.9",
        "result: highest AUC",
        "attending heads",
        "neurons' response left without them",
        "target heads: four donors",
        "result heads: four donors",
    ],
)

# %% [markdown]
# (The last two columns: misses accepted from a matched hit, another hit, a matched miss, another miss.)
#
# The roles are the same in all six: the verdict can be read at the bracket before block 2; without the target heads the valid neurons hardly tell a hit from a miss; both groups of heads carry a value, by the fourth donor. What differs is which heads, how many, and whether the target is fetched in one step or two.

# %% tags=["numbers"]
for name in SEEDS:
    study = shipped[name]
    assert study["readable"]["bracket"][2] > 0.95 > 0.75 > study["readable"]["bracket"][1]
    for cells_of in study["donors"].values():
        assert min(cells_of["matched hit"], cells_of["matched miss"]) > 0.8, name
        assert max(cells_of["other hit"], cells_of["other miss"]) < 0.1, name
    assert abs(float(silent(name))) < 0.2, name

# %% [markdown]
# ## 9. An unknown model
#
# ### Investigation · disable it in ten ablations (15 minutes, medium)
#
# Here is a model that you have not met. It plays the same game, but it has another size and another training. Find **at most three heads** that take its check away: out of the whole text, they leave at most `0.2` of the gap, and at least `0.95` of the sums right.
#
# Looking at `lab.model`, `lab.hits` and `lab.misses` is free: probes, attention and drive cost nothing. An ablation by `lab.without(heads)` is counted, and you have ten, of which the cell below spends one. `lab.hand_in(heads)` measures your answer on *other* puzzles, three times at most.

# %%
lab = verification.Lab(load("countdown/three_layers"), ablations=10)
print(lab.model.cfg.n_layers, "layers of", lab.model.cfg.n_heads, "heads;", lab.without([]))

# %% tags=["solution-only"]
seen = {
    place: verification.attention(lab.model, lab.hits, lab.hits.target, back=back).mean(-1)
    for place, back in verification.SPOTS.items()
}
print(lab.hand_in(top_heads(seen["result"], 3)))  # from the bracket, none attends

# %% [markdown]
# The answer is what `lab.hand_in(heads)` returned, as it stands.

# %% tags=["answer:disabled"]
### BEGIN SOLUTION
disabled = {"heads": [(1, 3), (1, 5), (1, 4)], "gap left": 0.02, "sums right": 1.0}
### END SOLUTION

# %% tags=["check"]
disabled = lesson_51.check_disabled(disabled)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Do not assume the place. Where can this model's verdict be read first: at the result, or at the bracket? `verification.attention(lab.model, lab.hits, lab.hits.target, back=back)` looks from either.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Members of a group stand in for each other: one at a time, each may look harmless. Ablate the most attending together, then exchange one at a time. A head without which no sum is right is no answer.
#
# </details>

# %% [markdown]
# The unknown model, `three_layers`, was taught with four words for each verdict. In it the check is made at the *result*, one token before the bracket, where the paper looked. So run the published rule on it, unchanged.

# %%
plots.table(seed_rows(["three_layers"]), columns=["disabled · gap left", *STEPS.values()])

# %% [markdown]
# The heads of the paper's rule disable **0.99** of the checks, its three by drive **0.83**, with the sums right (paper: `0.96`, `0.95`). So its result replicates *where the check is made at the place that it reads*. But three random heads disable much in half of their draws too, so "disabled" alone is no proof. The neurons disable nothing here either.

# %% tags=["numbers"]
three = shipped["three_layers"]["without"]
claim("three_layers, attending", three["attending, published"]["disabled"], text=0.99, within=0.03)
claim("three_layers, top 3", three["top, published"]["disabled"], text=0.83, within=0.08)
assert min(three["attending, published"]["sums"], three["top, published"]["sums"]) > 0.98
assert sum(each > 0.5 for each in three["random heads"]["disabled"]) == 3
assert three["GLU valid and invalid"]["disabled"] == 0

# %% [markdown]
# ## What you found


# %% tags=["results"]
def spread(step: str) -> str:
    """Lowest and highest share disabled over the six seeds; the mean over several draws."""
    found = [shipped[name]["without"][step]["disabled"] for name in SEEDS]
    found = [sum(each) / len(each) if isinstance(each, list) else each for each in found]
    return f"{min(found):.2f} to {max(found):.2f}"


PAPERS = {
    "GLU valid": "0.16",
    "GLU valid and invalid": "0.45",
    "attending, published": "0.96",
    "top, published": "0.95",
    "attending, bracket too": "",
    "by attention": "",
}
plots.table(
    [
        (
            STEPS[step],
            spread(step),
            f"{shipped['three_layers']['without'][step]['disabled']:.2f}",
            spread("random neurons" if "GLU" in step else "random heads"),
            paper,
        )
        for step, paper in PAPERS.items()
    ],
    columns=[
        "out: checks disabled",
        "six seeds (check at the bracket)",
        "three_layers (check at the result)",
        "control, six seeds: random neurons, or 3 random heads",
        "paper: Qwen2.5-3B",
    ],
)

# %% [markdown]
# ## Going deeper
#
# The core ends here. What follows stands on its own.
#
# ### A. Does a model that is rewarded for answers alone check in the same way? (15 minutes)
#
# `base` read searches in which one verdict in five is wrong, and copied that. From it `rewarded` was trained on by **outcome reward** (REINFORCE with a baseline): it wrote texts, and a text got 1 if the first try that it accepted was legal and hit the target, and else 0. Nothing told it which verdict was right. So checking became useful, instead of copied.
#
# The paper finds the verification subspace of its model in the base model too. Can you tell the same here? Both are sampled at temperature 1, since the base's errors are in its probabilities.

# %%
pair = {name: load(f"countdown/{name}") for name in ("base", "rewarded")}
fresh = verification.some_puzzles(100, generator=random.Random(3))
headers = [puzzle.header for puzzle in fresh]
sampled = {name: verification.write(each, headers, temperature=1.0) for name, each in pair.items()}
can = {name: countdown.ability(fresh, written) for name, written in sampled.items()}
plots.table(
    [(name, *(f"{value:.2f}" for value in found.values())) for name, found in can.items()],
    columns=["", *can["base"]],
)

# %%
both_read = verification.brackets(pair["rewarded"], fresh, sampled["rewarded"])
fit_on, test_on = (both_read.where(part) for part in (both_read.text < 50, both_read.text >= 50))
directions = {
    name: verification.own_probes(each, fit_on)
    for name, each in {**pair, "seed_0 (control)": model}.items()
}
streams = verification.resid_at(pair["rewarded"], test_on)[1:]  # [layer, position, d_model]
test_labels = test_on.hit.cpu().int()
plots.table(
    [
        (
            f"probe of {name}",
            *(
                f"{torch.cosine_similarity(directions[name][layer], directions['rewarded'][layer], dim=0):.2f} · "
                f"{stats.auc(streams[layer] @ directions[name][layer], test_labels):.2f}"
                for layer in range(n_layers)
            ),
        )
        for name in directions
    ],
    columns=["cosine · AUC in rewarded's stream", *(f"after block {at}" for at in range(n_layers))],
)

# %%
plots.table(seed_rows(["base", "rewarded"]), columns=["disabled · gap left", *STEPS.values()])

# %% [markdown]
# **What reward did.** The base solves few puzzles and is right in about four verdicts of five, as it was taught. The rewarded model solves most, and its verdicts are nearly all right, although no verdict was ever rewarded.
#
# **Where it came from.** Read the AUCs first, as a warning: a probe of `seed_0`, whose coordinates have nothing to do with these, reaches 1 as well. The verdict dominates the stream, so nearly any direction has some of it: an AUC is no evidence for a shared direction. The cosine is. At each layer the base's direction is closer to the rewarded model's than the control's is, The heads are the base's, too: the three of most attention are the same, and without the attending heads the gap is gone in both. So here reward did not build a check; it made the model *act* on one. What it does to a base that never saw a useful verdict, this pair cannot say.

# %% tags=["numbers"]
assert can["base"]["solved"] < 0.6 < 0.8 < can["rewarded"]["solved"]
assert can["base"]["verdicts right"] < 0.9 < 0.97 < can["rewarded"]["verdicts right"]
alike = {
    name: torch.cosine_similarity(directions[name], directions["rewarded"], dim=-1)[1:]
    for name in directions
}
assert (alike["base"] > 0.15 + alike["seed_0 (control)"].abs()).all()
for name in pair:
    without = shipped[name]["without"]
    assert abs(without["attending, bracket too"]["gap"]) < 0.05 * without["nothing"]["gap"]
looked = [set(map(tuple, shipped[name]["by attention"])) for name in pair]
assert looked[0] == looked[1]

# %% [markdown]
# ## What this does not show
#
# - That Qwen checks like this. There a number has several tokens, and what the authors read at "the token before the bracket" is a digit; in our models a number is one token, and the check is made one token later.
# - Where and how the two numbers are compared. A stream patch shows that both have arrived before block 2, no more.
# - That attention finds causal heads in general. Here the heads that look at the target are few and in one layer.
#
# ## Questions to discuss
#
# 1. The published rule read attention one token too early for our models. How would you have written the rule so that it could not miss this? What would your rule cost?
# 2. The signed drive reads a head's OV diagonal against neurons blocks later. What must be true for such a ranking to find a head that acts through a comparison in between?
# 3. Four donors told a value from a match. For which other claim in this course would you like to have the fourth donor?
# 4. Zeroing puts the stream where it has never been. Which result of this lesson hangs on zeros, and which does not?
#
# ## Common mistakes
#
# - Labelling positions by what the model *says*: then you find what makes it speak.
# - Calling a check disabled because one word changed, or intact because none did. Show the gap.
# - Forgetting the sums: a model that cannot add has not lost its check alone.
# - Calling heads "verification heads" because their removal stops verification.
# - Comparing head numbers across seeds.
#
# ## Where this breaks
#
# Nine models of two sizes, one game, traces made by a program, verdicts of one word. The measures were fixed beforehand, but the place of attention was widened after `seed_0`; the other five seeds are the test of that. With about 100 hits a seed, a true share of `0.03` can look like none.
#
# ## Further reading
#
# - Lee, Sun, Wendler, Viégas and Wattenberg (2025), *The Geometry of Self-Verification in a Task-Specific Reasoning Model*, arXiv 2504.14379, and its code, github.com/ajyl/verify_circuit
# - Prakash et al. (2025), *Language Models Use Lookbacks to Track Beliefs*, arXiv 2505.14685: values fetched by heads and compared later
# - Shao et al. (2024), *DeepSeekMath*, arXiv 2402.03300: GRPO
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.3 · Features of a real model, and of a random one](43_features.ipynb) | **Next:** [5.2 · Keep thinking or stop](52_keep_thinking.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/52_keep_thinking.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("51")
