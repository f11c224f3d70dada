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
# # 1.4 · Patching: what moves, and when?
#
# [![Open lesson 1.4 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/14_patching.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.3 · Who moves the name](13_direct_logit_attribution.ipynb) | **Next:** [1.5 · Finding circuits automatically](15_circuit_discovery.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/13_direct_logit_attribution.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. put an activation of one run into another, and say what the result shows;
# 2. build the corruption that answers *your* question;
# 3. going deeper: follow a path from one head to the heads that read it.
#
# **Time** 50 minutes, and about 105 to go deeper. **Needs** lessons 1.1 to 1.3: hooks, induction heads, queries,
# keys and values, the logit difference. **Runs** in about three minutes on a laptop's processor.
#
# The first figure shows two prompts that differ in one name, and so in their answer. Its last row is the second
# run again, with *one* vector of the first run put in.

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

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.ioi import task as ioi
from utils import plots
from utils.checks import lesson_14
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.circuits.patches import patched_heads
from utils.circuits.patching import path_sweep, receiver_sweep, sweep
from utils.heads import Head, head_name, top_heads
from utils.lesson import claim
from utils.models import load

model = load()
CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPTED = "When Mary and John went to the store, Mary gave a drink to"
figures.patch_by_hand(model, CLEAN, CORRUPTED, layer=0, pos=10)

# %% [markdown]
# The vector is the residual stream before one block, at one position. Before block 0 at position 10 it makes the
# clean prompt, so the answer flips. Keep layer 0 and move the position: does any other one flip it?
#
# Putting activations of one run into another is **activation patching**. Nothing is set to zero or to a mean: the
# model sees only activations that it made itself.
#
# ## 1. The hypothesis
#
# **IO**, the indirect object, comes once, and is the right answer. **S**, the subject, comes twice, at **S1** and
# **S2**. **END** is the last token, where the answer is predicted. The corrupted prompt has the other name at S2.
# Lesson 1.3 found heads that write the answer at END. But how does END know which name came twice?
#
# In GPT-2 small, Wang and colleagues (2022) found this chain. An *S-inhibition head* is one that makes name movers
# look away from S.

# %%
boxes = {
    "previous-token head<br>at the word after S1": (0, 0),
    "induction head<br>at S2": (1, 0),
    "S-inhibition head<br>at END": (2, 0),
    "name mover<br>at END": (3, 0),
}
names = list(boxes)
figures.diagram(
    boxes,
    list(zip(names, names[1:], strict=False)),
    title="The hypothesis, from GPT-2 small: does SmolLM2 have this chain?",
)

# %% [markdown]
# Each arrow enters the next head by its queries (which decide where it looks), its keys (at which positions other
# tokens find it) or its values (what it moves). You will measure which.
#
# First the gate: can the model do the task, and does it follow the change? The metric is the logit difference,
# logit(IO) - logit(S), with the roles of the *clean* prompt in both runs. Heads are chosen on `choose` and tested
# on `test`, which has other names; `few` are eight prompts like those of `choose`. `few.positions["S2"]` is one
# integer, the same for all prompts.


# %%
def draw(n: int, *, seed: int, names=ioi.NAMES):
    return ioi.prompts(model, n, generator=torch.Generator().manual_seed(seed), names=names)


few, choose = draw(8, seed=0), draw(12, seed=0)
test = draw(16, seed=1, names=ioi.OTHER_NAMES)


def score(prompts, tokens) -> Float[Tensor, " batch"]:
    with torch.no_grad():
        return prompts.logit_diff(model(tokens))


print(model.to_str_tokens(few.tokens[0]))  # <|im_start|>, at position 0, is BOS
print(few.positions)
for name, prompts in [("choose", choose), ("test", test)]:
    right = (score(prompts, prompts.tokens) > 0).float().mean()
    turned = (score(prompts, prompts.swapped().tokens) < 0).float().mean()
    print(f"{name}: right on {right:.0%} of the clean prompts, turned round on {turned:.0%}")

# %% [markdown]
# ## 2. Where is it, and when?
#
# Patch each layer and position in turn: a **sweep**. Putting clean activations into a corrupted run is called
# **denoising**. The result is normalised: 0 is the corrupted run, 1 is the clean one. It is not cut off there,
# since a patch can do harm. The divisor is the *mean* over prompts of clean minus corrupted: for a single prompt
# this difference may be near 0.
#
# ### Exercise 1 · the sweep (15 minutes, medium)
#
# The stream before block 5 is `blocks.5.hook_resid_pre`, [batch, pos, d_model].
# `model.run_with_hooks(tokens, fwd_hooks=[(name, function)])` calls `function(activation, hook)` there, and goes on
# with what it returns. Activations usually come from the clean run. Section 3 takes them from other prompts: that
# is what `source` is for. Keep tensors under names of your own: `hook.name` may be another name of the same hook.


# %% tags=["exercise:utils.circuits.patches.stream_sweep"]
def stream_sweep(
    model,
    corrupted: Int[Tensor, "batch pos"],
    clean: Int[Tensor, "batch pos"],
    metric: Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, " batch"]],
    *,
    layers: Sequence[int],
    positions: Sequence[int],
    source: Int[Tensor, "batch pos"] | None = None,
) -> Float[Tensor, "layer position batch"]:
    """Patches the residual stream before one layer at one position, for each of them in turn.

    Args:
        corrupted: the run that is patched.
        clean: the run that the metric is normalised by.
        metric: takes logits, returns one number for each prompt.
        layers, positions: where to patch. Each pair is a run of its own.
        source: the run that the activations come from; without it, the clean run.

    Returns:
        Each prompt's metric after the patch, normalised: 0 is its corrupted score, and 1 is the
        mean clean score. (metric - the corrupted run's) / mean over prompts of (the clean run's -
        the corrupted run's). All runs are made without gradients, which would take gigabytes.
    """
    ### BEGIN SOLUTION
    source = clean if source is None else source
    names = [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    restored = []
    with torch.no_grad():
        base = metric(model(corrupted))
        way = (metric(model(clean)) - base).mean()
        _, cache = model.run_with_cache(source, names_filter=names)
        for name in names:
            for pos in positions:

                def patch(own, hook, name=name, pos=pos):
                    own = own.clone()
                    own[:, pos] = cache[name][:, pos]
                    return own

                logits = model.run_with_hooks(corrupted, fwd_hooks=[(name, patch)])
                restored.append((metric(logits) - base) / way)
    return torch.stack(restored).unflatten(0, (len(layers), len(positions)))
    ### END SOLUTION


# %% tags=["check"]
stream_sweep = lesson_14.check_stream_sweep(stream_sweep)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Three passes come before the loops: the corrupted run's metric, the clean run's metric, and a cache of `source`
# (`model.run_with_cache(source, names_filter=names)`). Then one patched run for each layer and position. In the
# hook, change a copy: `own.clone()`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A function defined in a loop sees the loop's variables as they are when it is *called*. Within one turn of the
# loop that is fine; if you collect hooks first and run them later, bind them: `def patch(own, hook, pos=pos)`.
# Stack the results, [layer * position, batch], and `unflatten` the first axis.
#
# </details>

# %%
predict(
    "14.where",
    "Before block 18 of 30: at which position does a patch restore the answer?",
    choices=["S2", "a word between S2 and END", "END"],
)

# %% [markdown]
# Your sweep, with eight prompts. One position between S2 and END stands for them all. (10 to 30 seconds.)

# %%
LAYERS = [0, 6, 12, 16, *range(18, 26)]
S2, END = few.positions["S2"], few.positions["END"]
clean, corrupted = few.tokens, few.swapped().tokens
swept = stream_sweep(
    model, corrupted, clean, few.logit_diff, layers=LAYERS, positions=[S2, S2 + 2, END]
)


def mean_and_error(values: Float[Tensor, "*any batch"]) -> tuple[Tensor, Tensor]:
    """Mean over prompts, and its standard error."""
    return values.mean(-1), values.std(-1) / values.shape[-1] ** 0.5


def shown(values: Float[Tensor, " batch"]) -> str:
    mean, error = mean_and_error(values)
    return f"{mean:+.2f} ± {error:.2f}"


middle, error = mean_and_error(swept)
bands = torch.stack([middle, middle - error, middle + error])
fig = plots.curves(
    {("share restored", ""): {n: bands[..., i] for i, n in enumerate(["S2", "between", "END"])}},
    at=LAYERS,
    title="Where does a patch bring the answer back?",
    x="before block",
)
fig.update_layout(legend_y=-0.3)

# %%
PLACES = ["S2", "a word between S2 and END", "END"]
outcome("14.where", PLACES[int(middle[LAYERS.index(18)].argmax())])

# %% [markdown]
# For two thirds of the model the difference stays at S2: before block 19 a patch there restores **1.0**. Then it
# moves to END in two steps, in blocks 19 and 20 and in blocks 23 and 24. The word between plays no part. Before S2
# the runs are the same, so there is nothing to patch.

# %% tags=["numbers"]
at = {layer: i for i, layer in enumerate(LAYERS)}
for layer in (0, 6, 12, 16, 18, 19):
    assert abs(middle[at[layer], 0] - 1) < 0.1 and abs(middle[at[layer], 2]) < 0.1
assert middle[:, 1].abs().max() < 0.1
claim("S2 before block 19", middle[at[19], 0], text=1.0, within=0.1)
for low, high in [(19, 20), (20, 21), (23, 24), (24, 25)]:
    step = swept[at[high], 2] - swept[at[low], 2]
    assert step.mean() > 3 * step.std() / len(step) ** 0.5 and step.mean() > 0.05
assert abs(middle[at[23], 2] - middle[at[21], 2]) < 0.05
assert middle[at[25], 2] > 0.75 and middle[at[25], 0] < 0.15

# %% [markdown]
# ## 3. Audit: *what* moves?
#
# The clean and the corrupted run differ in two things: which name is the right *answer*, and which *position* was
# repeated. The sweep cannot tell which of them moves to END. A source that shares only one of the two with the
# clean run can.
#
# ### Exercise 2 · separate the two (10 minutes, medium)
#
# Write down on paper what stands at IO, S1 and S2 in each run, before you write code.


# %% tags=["exercise:utils.circuits.patches.corruptions"]
def corruptions(prompts) -> dict[str, Int[Tensor, "batch pos"]]:
    """Prompts of the same two names in which something has changed, and something has not.

    Args:
        prompts: has `tokens`; `io` and `s`, the tokens of the two names, [batch]; and `positions`
            of "IO", "S1" and "S2", each one integer for all prompts.

    Returns:
        Three sets of tokens, each as large as `prompts.tokens`:
        "position": the right answer is the same as in the clean prompt. The name that comes again
            stands in the *other* of the first two places.
        "answer": the other name is the right answer. The name that comes again stands in the
            *same* place as in the clean prompt.
        "both": the other name is the right answer, and the name that comes again stands in the
            other of the first two places.
    """
    ### BEGIN SOLUTION
    first, second, again = (prompts.positions[label] for label in ("IO", "S1", "S2"))
    changed = {name: prompts.tokens.clone() for name in ("position", "answer", "both")}
    for name in ("position", "answer"):
        changed[name][:, first] = prompts.s
        changed[name][:, second] = prompts.io
    for name in ("answer", "both"):
        changed[name][:, again] = prompts.io
    return changed
    ### END SOLUTION


# %% tags=["check"]
corruptions = lesson_14.check_corruptions(corruptions)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The prompt reads A B ... B, and A is the right answer: the name that does not come again. Each of the three is
# another arrangement of A and B.
#
# </details>
# <details><summary>Hint 2</summary>
#
# "position": A is right, so B comes twice, and now its *first* place is the front one. "answer": B is right, so A
# comes twice, with A in the *second* place. "both": B is right and A comes twice, from the front.
#
# </details>

# %%
predict(
    "14.what",
    "Patch END before block 21 from your `position` run: how much comes back?",
    choices=["about as much as the clean run does", "about half of that", "next to nothing"],
)

# %% [markdown]
# Patch from each of them, by your sweep. The last two sources are prompts of *other names*, so they can bring no
# answer, only a position. An *undecided* model gives both names the same logit. On our scale it scores minus the
# corrupted runs' mean, divided by the mean of clean minus corrupted: the cell prints this number.

# %%
others = draw(8, seed=2, names=ioi.OTHER_NAMES)
changed = corruptions(few)
sources = {
    "clean: same answer, same position": clean,
    "same answer, other position": changed["position"],
    "other answer, same position": changed["answer"],
    "other names, same position": others.tokens,
    "other names, other position": others.swapped().tokens,
}
PATCHES = {"S2, block 19": (0, 0), "END, block 21": (1, 1), "END, block 25": (2, 1)}
control = {}
for name, source in sources.items():
    found = stream_sweep(
        model,
        corrupted,
        clean,
        few.logit_diff,
        layers=[19, 21, 25],
        positions=[S2, END],
        source=source,
    )
    control |= {(name, place): found[cell] for place, cell in PATCHES.items()}
undecided = -score(few, corrupted).mean() / (score(few, clean) - score(few, corrupted)).mean()
print(f"an undecided model scores {undecided:.2f}")
plots.table(
    [(name, *(shown(control[name, place]) for place in PATCHES)) for name in sources],
    columns=["share restored ± standard error, from", *PATCHES],
)

# %%
whole, part = (control[name, "END, block 21"].mean() for name in list(sources)[:2])
SHARES = ["about as much as the clean run does", "about half of that", "next to nothing"]
outcome("14.what", SHARES[0 if part > 0.75 * whole else 1 if part > 0.25 * whole else 2])

# %% [markdown]
# Read the columns. **END before block 21** holds a position: sources with the same position restore as much as the
# clean run, even with other names or the other answer. The run with the *same answer* restores next to nothing.
#
# **END before block 25** holds mostly the name: a run with the same answer restores **1.0** though its position is
# the other one, and one with the other answer little. Other names leave the model near undecided, whichever
# position they bring.
#
# **S2 before block 19** holds both. Right position, neutral names: **0.80**. Right position, wrong name: **0.48**.
# Neutral names, wrong position: **0.26**.
#
# So the two steps carry two different things: first the position, then the name. Without this control you would
# report one thing moving.

# %% tags=["numbers"]
same, same_answer, same_position, named, misplaced = sources


def above(one: str, other: str, place: str) -> bool:
    """By more than three standard errors, paired."""
    mean, error = mean_and_error(control[one, place] - control[other, place])
    return bool(mean > 3 * error)


first, second, third = PATCHES
assert above(same_position, same_answer, second) and above(named, misplaced, second)
assert min(control[x, second].mean() for x in (same_position, named)) > 0.8 * whole
assert abs(control[same_answer, second].mean()) < 0.1
assert abs(control[misplaced, second].mean()) < 0.15
assert above(same_answer, same_position, third) and control[same_position, third].mean() < 0.35
claim("same answer, END before 25", control[same_answer, third].mean(), text=1.0, within=0.12)
assert above(named, misplaced, first) and above(named, same_position, first)
claim("right position, neutral names", control[named, first].mean(), text=0.80, within=0.1)
claim("right position, wrong name", control[same_position, first].mean(), text=0.48, within=0.07)
claim("wrong position, neutral names", control[misplaced, first].mean(), text=0.26, within=0.039)
assert 0.45 < undecided < 0.7
for name in (named, misplaced):
    assert abs(control[name, third].mean() - undecided) < 0.3

# %% [markdown]
# ## 4. Which heads?
#
# The stream holds all that was written so far. To find *which head* writes, patch its `z`, the weighted mean of
# values that its attention makes, at all positions. `sweep` makes such patches, one head after another, and faster
# than yours: it starts each run at the patched layer. We take layers 17 to 29, 117 heads.
#
# A head can act on the logits *directly*, as in lesson 1.3, or through later heads and MLPs. `path_sweep` with
# `into="logits"` gives the direct effect alone: only the part that the unembedding reads directly. The figure sets
# the whole effect beside it.

# %% tags=["folded"]
# Sweeps all heads twice, whole and direct effect, and draws one over the other.
clean, corrupted = choose.tokens, choose.swapped().tokens
SWEPT = range(17, model.cfg.n_layers)
denoised = sweep(model, corrupted, clean, choose.logit_diff, what="z", layers=SWEPT, progress=False)
direct = path_sweep(
    model, corrupted, clean, choose.logit_diff, into="logits", layers=SWEPT, progress=False
).restored
STRONG = top_heads(denoised.restored.abs(), 8)


def by_head(x: Tensor, y: Tensor) -> dict[str, tuple[float, float]]:
    """Two scores of every swept head, each [layer, head], as points."""
    heads = [(layer, head) for layer in SWEPT for head in range(model.cfg.n_heads)]
    return {head_name(head): (x[head].item(), y[head].item()) for head in heads}


fig = plots.scatter(
    by_head(direct, denoised.restored),
    title="Which heads work through others?",
    x="direct effect (share of the difference)",
    y="whole effect (share restored)",
    named=[head_name(head) for head in STRONG],
    diagonal="all of the effect is direct",
)
SIDES = {(17, 4): "bottom center", (20, 0): "top center", (23, 3): "middle left"}
SIDES |= {(29, 1): "middle left", (19, 2): "middle left"}
sides = [SIDES.get(head, "middle right") for head in STRONG]
fig.update_traces(textposition=sides, selector={"mode": "markers+text"})

# %% [markdown]
# Heads near the line write the answer: L23H3 (which lowers S, lesson 1.3), L29H1 (**0.28**) and L23H0. **L20H0 and
# L17H4 write next to nothing to the logits**, and restore about a third of the difference each. They must write
# *for other components*.
#
# **Here the core ends.** Until block 19 the difference stands at S2. END then receives first a position, later the
# name. Of the heads, L17H4 and L20H0 act through other components, and L23H3, L29H1 and L23H0 directly. No arrow of
# the hypothesis is tested yet: that takes path patching, in section 5.

# %% tags=["numbers"]
assert {(23, 3), (20, 0), (17, 4), (29, 1), (29, 0), (24, 4)} <= set(STRONG)
for head in [(20, 0), (17, 4)]:
    assert abs(direct[head]) < 0.03 and 0.25 < denoised.restored[head] < 0.5
for head in [(23, 3), (29, 1), (23, 0)]:
    assert abs(direct[head] - denoised.restored[head]) < 0.06
claim("L29H1", denoised.restored[29, 1], text=0.28, within=0.04)

# %% [markdown]
# ## 5. Going deeper: path patching, or who reads whom?
#
# *35 minutes.* Patching L20H0 changes what *every* later component reads. To test one arrow of the diagram, let a
# single receiver read the change: **path patching**. It takes three passes:
#
# | pass | run on | where a hook stands | what the hook does |
# | --- | --- | --- | --- |
# | 1 | `tokens`, then `source` | nowhere | keep a cache of each |
# | 2 | `tokens` | `blocks.L.attn.hook_z`, every layer L | return the `z` of `tokens`; in the sender's layer, with the *sender's head* from `source` |
# | | | `blocks.L.hook_mlp_out`, every layer L, if MLPs are held | return the `mlp_out` of `tokens` |
# | | | `blocks.L.attn.hook_q` (or `_k`, `_v`) of the receivers' layers | keep a copy: what the receivers *would* read |
# | 3 | `tokens` | the same `hook_q` | return it with the *receivers' heads* from that copy |
#
# In pass 2 all other heads are held, so the change reaches the receivers directly, and through no other head. A
# block's MLP comes after its attention: the MLP of the sender's *own* layer reads the sender too. In pass 3 nothing
# is held: what follows from the receivers' new queries is free to happen.
#
# MLPs are a choice. Held, only the direct path counts. Free, they pass the change on.
#
# ### Exercise 3 · path patching (20 minutes, hard)
#
# `hook_z` and `hook_q` are [batch, pos, head, d_head]. `cache["z", 3]` is an activation of layer 3, also `"q"` or
# `"mlp_out"`. In a hook, `hook.layer()` is the number of its layer.


# %% tags=["exercise:utils.circuits.patches.path_patch"]
def path_patch(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    *,
    sender: tuple[int, int],
    receivers: Sequence[tuple[int, int]],
    into: str,
    hold_mlps: bool,
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits of `tokens` when one head's output from `source` reaches some receivers alone.

    Source: path patching of Wang et al., 2022 (arXiv 2211.00593), Goldowsky-Dill et al., 2023
    (arXiv 2304.05969).

    Args:
        tokens: the run that is patched.
        source: the run that the sender's output comes from.
        sender: (layer, head).
        receivers: (layer, head) of each, in layers after the sender's. For "k" and "v" it is a
            key-value head.
        into: which input of the receivers: "q", "k" or "v", for `blocks.L.attn.hook_q`, `hook_k`
            or `hook_v`.
        hold_mlps: whether MLPs keep what they give in the run on `tokens`. If not, they compute
            anew, and pass on what the sender changes.
    """
    ### BEGIN SOLUTION
    changed = {}
    with torch.no_grad():
        own, other = (model.run_with_cache(run)[1] for run in (tokens, source))

        def hold(z, hook):
            z = own["z", hook.layer()].clone()
            if hook.layer() == sender[0]:
                z[:, :, sender[1]] = other["z", hook.layer()][:, :, sender[1]]
            return z

        def hold_mlp(out, hook):
            return own["mlp_out", hook.layer()]

        def keep(read, hook):
            changed[hook.layer()] = read.clone()

        def put(read, hook):
            read = read.clone()
            heads = [head for layer, head in receivers if layer == hook.layer()]
            read[:, :, heads] = changed[hook.layer()][:, :, heads]
            return read

        layers = range(model.cfg.n_layers)
        hooks = [(f"blocks.{layer}.attn.hook_z", hold) for layer in layers]
        hooks += [(f"blocks.{layer}.attn.hook_{into}", keep) for layer in layers]
        if hold_mlps:
            hooks += [(f"blocks.{layer}.hook_mlp_out", hold_mlp) for layer in layers]
        model.run_with_hooks(tokens, fwd_hooks=hooks)
        hooks = [(f"blocks.{layer}.attn.hook_{into}", put) for layer in layers]
        return model.run_with_hooks(tokens, fwd_hooks=hooks)
    ### END SOLUTION


# %% tags=["check"]
path_patch = lesson_14.check_path_patch(path_patch)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Four small hooks: one holds `z` (with the sender's head from the other cache), one holds `mlp_out`, one keeps
# queries, one puts the receivers' queries in. The first three work in the second pass, the last in the third.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Hold the `z` of *all* layers; in the sender's layer, copy it and exchange one head. The receivers' own `z` is held
# too, and that does no harm: their queries are computed before it. Keep `read.clone()` by layer, return nothing
# from that hook. In the last pass leave the other heads of the layer as they are.
#
# </details>

# %%
predict(
    "14.readers",
    "Of the 81 heads in later layers, how many restore more than .02 when their query alone reads L20H0's "
    "clean output?",
    choices=["one", "2 to 8", "more than 8"],
)

# %% [markdown]
# No receiver is chosen by hand: all heads in later layers are tried. `receiver_sweep` gives the numbers of your
# `path_patch` for one receiver after another. Three query heads share one head for keys and values here: L20KV0
# serves L20H0 to L20H2. For L17H4, MLPs are free. (About 20 seconds.)

# %% tags=["folded"]
# Tries all receivers of two senders, into queries, keys and values, and lists the strongest.
readers = {
    (sender, into): receiver_sweep(
        model,
        prompts.swapped().tokens,
        prompts.tokens,
        prompts.logit_diff,
        sender=sender,
        into=into,
        hold_mlps=sender == (20, 0),
        progress=False,
    )
    for sender, into, prompts in [
        *(((20, 0), into, choose if into == "q" else few) for into in "qkv"),
        *(((17, 4), into, choose if into == "v" else few) for into in "qkv"),
    ]
}


def read_by(sender: Head, into: str) -> str:
    found, name = readers[sender, into], "H" if into == "q" else "KV"
    return ", ".join(
        f"L{layer}{name}{head} {found.restored[layer, head]:+.2f}"
        for layer, head in top_heads(found.restored.abs(), 5)
    )


plots.table(
    [(f"{head_name(sender)} into {into}", read_by(sender, into)) for sender, into in readers],
    columns=["path", "the five strongest receivers (share restored)"],
)

# %%
queries = readers[(20, 0), "q"].restored
n_readers = int((queries > 0.02).sum())
READERS = ["one", "2 to 8", "more than 8"]
outcome("14.readers", READERS[0 if n_readers == 1 else 1 if n_readers <= 8 else 2])

# %% [markdown]
# L20H0 is read by queries alone, mostly by four heads of layer 23: L23H0, L23H7, L23H1 and L23H2. L23H0, lesson
# 1.3's name mover, brings less than half. L17H4 is read by values alone, mostly by L20KV0.
#
# These receivers were chosen on `choose`. Now the links on held-out names, by your own function. "Everything" is
# the whole effect: `patched_heads(model, heads, z)` exchanges the output of `heads` for that in `z`. The controls are
# other receivers, and the senders whose output changes most after the sender's own. At END that is L19H2, but it has
# a part in the same job, so the control is the next, L18H2. **No head's output changes nearly as much as L20H0's**,
# so this control is a weak one.

# %% tags=["folded"]
# Tests both links and their controls on held-out names.
MOVERS = [(23, 0), (23, 1), (23, 2), (23, 7)]
pair = test.swapped().tokens, test.tokens
base, top = (score(test, tokens) for tokens in pair)


def link(sender: Head, receivers: list[Head], into: str, *, hold_mlps: bool = True) -> Tensor:
    """The share that one path restores on `test`, by prompt."""
    logits = path_patch(
        model, *pair, sender=sender, receivers=receivers, into=into, hold_mlps=hold_mlps
    )
    return (test.logit_diff(logits) - base) / (top - base).mean()


def whole_effect(head: Head) -> Tensor:
    """The share that one head restores on `test` when everything reads it."""
    with torch.no_grad():
        _, cache = model.run_with_cache(pair[1], names_filter=f"blocks.{head[0]}.attn.hook_z")
    with patched_heads(model, [head], {head[0]: cache["z", head[0]]}):
        return (score(test, pair[0]) - base) / (top - base).mean()


links = {
    "L17H4 → everything": whole_effect((17, 4)),
    "L17H4 → values of L20KV0, MLPs free": link((17, 4), [(20, 0)], "v", hold_mlps=False),
    "L17H4 → values of L20KV0, MLPs held": link((17, 4), [(20, 0)], "v"),
    "control: L17H4 → values of L20KV1, MLPs free": link((17, 4), [(20, 1)], "v", hold_mlps=False),
    "control: L18H6 → values of L20KV0, MLPs free": link((18, 6), [(20, 0)], "v", hold_mlps=False),
    "L20H0 → everything": whole_effect((20, 0)),
    "L20H0 → queries of the four": link((20, 0), MOVERS, "q"),
    "control: L20H0 → query of L23H3": link((20, 0), [(23, 3)], "q"),
    "control: L18H2 → queries of the four": link((18, 2), MOVERS, "q"),
}
more = links["L20H0 → queries of the four"] - links["L20H0 → everything"]
plots.table(
    [
        *((name, shown(share)) for name, share in links.items()),
        ("L20H0: queries of the four minus everything", shown(more)),
    ],
    columns=["path, on held-out names", "share restored ± standard error"],
)

# %% [markdown]
# Both links hold. Through the four queries alone, L20H0 restores *more* than through everything that it reaches:
# other paths work against it (the table's last row). MLPs pass on about half of what goes from L17H4 to L20KV0.
# L23H3 gets no query from L20H0.
#
# So far: L17H4 writes at S2, L20H0's values bring it to END, and there four heads read it by their queries. The
# first arrow of the diagram is missing; it is the investigation, next.

# %% tags=["numbers"]
early, through, held, kv1, l18h6, total, four, remover, l18h2 = links.values()
for strong, weak in [
    (through, held),
    (held, kv1),
    (through, 4 * l18h6),
    (four, remover),
    (four, 5 * l18h2),
    (link((19, 2), MOVERS, "q"), l18h2),
    (four, total),
]:
    mean, error = mean_and_error(strong - weak)
    assert mean > 3 * error, mean
assert 0.35 < held.mean() / through.mean() < 0.65
assert abs(remover.mean()) < 0.03 and abs(kv1.mean()) < 0.03
assert queries[23, 0] < 0.6 * sum(queries[head] for head in MOVERS)
errors = readers[(20, 0), "q"].restored_standard_error
assert all(queries[head] > max(0.02, 2 * errors[head]) for head in MOVERS)
assert set(top_heads(queries, 4)) == set(MOVERS)
assert top_heads(readers[(17, 4), "v"].restored, 1) == [(20, 0)]
for silent in [((20, 0), "k"), ((20, 0), "v"), ((17, 4), "q"), ((17, 4), "k")]:
    assert readers[silent].restored.abs().max() < 0.03


def lengths(pos: int, layers: range) -> list[Head]:
    """Heads by the length of the change of their output at one position of `test`."""
    with torch.no_grad():
        caches = [model.run_with_cache(x, names_filter=lambda n: "hook_z" in n)[1] for x in pair]
    change = {}
    for layer in layers:
        moved = (caches[1]["z", layer] - caches[0]["z", layer])[:, pos]
        for head in range(model.cfg.n_heads):
            change[layer, head] = (moved[:, head] @ model.W_O[layer, head]).norm(dim=-1).mean()
    return sorted(change, key=change.get, reverse=True), change


order, change = lengths(END, range(17, 23))
assert order[:3] == [(20, 0), (19, 2), (18, 2)] and change[20, 0] > 2 * change[19, 2]
assert lengths(S2, range(15, 20))[0][:2] == [(17, 4), (18, 6)]

# %% [markdown]
# ## 6. Going deeper: the first link
#
# *15 minutes.*
#
# ### Investigation · the first link (15 minutes, medium)
#
# Which head tells L17H4 where to look? It is an induction head: at S2 it should look at the word after S1. Find the
# head that tells it, and by which of its inputs. **Budget: ten calls of `path_patch`**, on `few`, MLPs held.
#
# - Receivers for `"k"` and `"v"` are key-value heads: L17H4 uses L17KV1, so `[(17, 1)]`.
# - Score in raw logits, without dividing: `few.logit_diff(path_patch(...)) - score(few, few.tokens)`, the mean over
#   prompts. `tokens` is `few.tokens`; you choose `source`.
# - With `few.swapped().tokens` as `source` every sender gives 0. Why? You have built a better corruption. (The
#   reason stands below the last table.)
# - Lesson 1.1 (or a look at attention patterns) tells which heads to try first.
#
# The answer: layer and number of the head, and the letter of the input, such as `(3, 1, "v")`.

# %% tags=["answer:first_link"]
### BEGIN SOLUTION
first_link = (16, 0, "k")
### END SOLUTION

# %% tags=["check"]
first_link = lesson_14.check_first_link(first_link)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The two runs are the same before S2, and the sender works at the word after S1. Use a corruption that changes the
# first two names: `changed["position"]`. It keeps the answer right, so `few.logit_diff` means the same in both.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A previous-token head writes "the word before me is ..." at each position. Which input of an induction head lets
# other positions find that mark (lesson 1.2)? Take the strongest previous-token heads of lesson 1.1, those just
# below layer 17 first.
#
# </details>

# %% [markdown]
# `path_sweep` tries all 63 senders in layers 10 to 16. Then your answer on three sets of names, of which the last
# two chose nothing. No other head's output changes half as much at this position, so the controls are another
# corruption and another receiver.

# %% tags=["folded"]
# Tries all senders, then your answer on three sets of names and with two controls.
sender, into = first_link[:2], first_link[2].lower()
receiver = (17, 4) if into == "q" else (17, 1)
senders = path_sweep(
    model,
    few.tokens,
    changed["position"],
    few.logit_diff,
    receivers=[receiver],
    into=into,
    layers=range(10, 17),
    progress=False,
).effect
print(", ".join(f"{head_name(h)} {senders[h]:+.2f}" for h in top_heads(senders.abs(), 4)))
unseen = draw(24, seed=3, names=ioi.UNSEEN_NAMES)
moved = {}
for label, prompts, source, to in [
    ("choose", choose, "position", receiver),
    ("test", test, "position", receiver),
    ("unseen", unseen, "position", receiver),
    ("control: choose, S2 alone changed", choose, "both", receiver),
    ("control: unseen, into KV2 of layer 17", unseen, "position", (17, 2)),
]:
    logits = path_patch(
        model,
        prompts.tokens,
        corruptions(prompts)[source],
        sender=sender,
        receivers=[to],
        into=into,
        hold_mlps=True,
    )
    moved[label] = prompts.logit_diff(logits) - score(prompts, prompts.tokens)
plots.table(
    [(label, shown(change)) for label, change in moved.items()],
    columns=["names", "logit difference moves by"],
)

# %% [markdown]
# One head of 63 moves the logit difference. It does so on all three sets, but on `unseen` much less, and with a wide
# error. If S2 alone is changed, the effect is 0: **before the first changed token the runs are the same, so a
# corruption shows nothing of what happens there.** L17KV1 serves L17H3 to L17H5: this path changes where all three
# look.

# %% tags=["numbers"]
assert top_heads(senders.abs(), 1) == [(16, 0)] == [first_link[:2]]
assert senders.abs().flatten().topk(2).values[1] < 0.2
for name in ("choose", "test", "unseen"):
    mean, error = mean_and_error(moved[name])
    assert mean < -2 * error and mean < -0.4
assert moved["unseen"].mean() > 0.7 * max(moved[name].mean() for name in ("choose", "test"))
assert all(change.mean().abs() < 0.05 for name, change in moved.items() if "control" in name)
with torch.no_grad():
    caches = [
        model.run_with_cache(x, names_filter=lambda n: "hook_z" in n)[1]
        for x in (few.tokens, changed["position"])
    ]
after = few.positions["S1"] + 1
change = {
    (layer, head): ((one - other)[:, head] @ model.W_O[layer, head]).norm(dim=-1).mean()
    for layer in range(10, 17)
    for one, other in [[cache["z", layer][:, after] for cache in caches]]
    for head in range(model.cfg.n_heads)
}
assert sorted(change.values())[-2] < 0.5 * change[16, 0]

# %% tags=["folded"]
# Draws the chain as it was found.
boxes = {
    "L16H0<br>at the word after S1": (0, 0),
    "L17H4<br>at S2": (1.4, 0),
    "MLPs": (2.0, 1),
    "L20H0<br>at END": (2.6, 0),
    "L23H0, H1, H2, H7<br>at END": (4.0, 0),
    "L23H3<br>at END": (4.0, 1),
    "logits": (5.1, 0.5),
}
previous, induction, mlps, inhibition, movers, remover_box, logits_box = boxes
figures.diagram(
    boxes,
    [
        (previous, induction, "keys"),
        (induction, inhibition, "values"),
        (induction, mlps),
        (mlps, inhibition),
        (inhibition, movers, "queries"),
        (movers, logits_box),
        (remover_box, logits_box),
    ],
    title="SmolLM2 has the chain, with four readers at its end and a second way beside it",
    marked=[inhibition],
)

# %% [markdown]
# ## 7. Going deeper: enough, or needed?
#
# *10 minutes.* **Noising** puts corrupted activations into the clean run: what does it break? The two directions
# ask different questions:
#
# | | denoising restores | noising breaks |
# | --- | --- | --- |
# | the question | is this head **enough**? | is it **needed**? |
# | either of two heads is enough | all | nothing |
# | both of two heads are needed | nothing | all |
#
# The heads were chosen by denoising on `choose`. Here are both directions on names that chose nothing, with
# `patched_heads`.


# %%
def z_of(prompts, tokens) -> dict[int, Tensor]:
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=lambda n: n.endswith("attn.hook_z"))
    return {layer: cache["z", layer] for layer in SWEPT}


usual, other = score(unseen, unseen.tokens), score(unseen, unseen.swapped().tokens)
full = (usual - other).mean()
noise, signal = z_of(unseen, unseen.swapped().tokens), z_of(unseen, unseen.tokens)


def breaks(heads: list[Head]) -> Tensor:
    with patched_heads(model, heads, noise):
        return (usual - score(unseen, unseen.tokens)) / full


def restores(heads: list[Head]) -> Tensor:
    with patched_heads(model, heads, signal):
        return (score(unseen, unseen.swapped().tokens) - other) / full


CHAIN = [(17, 4), (20, 0), (23, 3), (29, 1)]
both = {head: (restores([head]), breaks([head])) for head in CHAIN}
plots.table(
    [(head_name(head), shown(a), shown(b), shown(a - b)) for head, (a, b) in both.items()],
    columns=["head, on unseen names", "restores", "breaks", "restores minus breaks"],
)

# %% [markdown]
# L23H3 and L20H0 break as much as they restore. **L17H4 restores about half of the difference and breaks less than
# a fifth.** So the chain through L17H4 restores half, and little of it is needed: something else does its work when
# it fails.
#
# Layer 17 has two more induction heads that share L17H4's keys, L17H3 and L17H5. Noise them too. The controls noise
# two other heads of the layer.

# %%
SETS = {
    "L17H4": [(17, 4)],
    "L17H3 and L17H5": [(17, 3), (17, 5)],
    "L17H3, L17H4 and L17H5": [(17, 3), (17, 4), (17, 5)],
    "control: L17H4, L17H0 and L17H8": [(17, 4), (17, 0), (17, 8)],
    "control: L17H4, L17H1 and L17H2": [(17, 4), (17, 1), (17, 2)],
}
lost = {name: breaks(heads) for name, heads in SETS.items()}
alone, two, three, control_a, control_b = lost.values()
plots.table(
    [
        *((name, shown(share)) for name, share in lost.items()),
        ("the three minus the sum of the first two rows", shown(three - alone - two)),
        ("the three minus the first control", shown(three - control_a)),
        ("the three minus the second control", shown(three - control_b)),
    ],
    columns=["noised", "share broken"],
)

# %% [markdown]
# Alone, L17H3 and L17H5 break nothing. Together with L17H4 they break more than the sum, and more than either
# control: they can do part of its work. The three together still break far less than L17H4 restores, so they are not
# all. *How* they do it is open. They may change their output when L17H4 fails. Or they always write the same, and
# something later saturates.

# %% tags=["numbers"]
for head in [(23, 3), (20, 0)]:
    mean, error = mean_and_error(both[head][0] - both[head][1])
    assert abs(mean) < max(0.08, 2 * error)
mean, error = mean_and_error(both[17, 4][0] - both[17, 4][1])
assert mean > 5 * error and 0.35 < both[17, 4][0].mean() < 0.65 and both[17, 4][1].mean() < 0.2
for strong, weak in [(three, alone + two), (three, control_a), (three, control_b)]:
    mean, error = mean_and_error(strong - weak)
    assert mean > 3 * error
assert abs(two.mean()) < 0.05 and three.mean() < 0.7 * both[17, 4][0].mean()

# %% [markdown]
# ## 8. Going deeper: every patch from one gradient
#
# *45 minutes.* A sweep over all heads takes as many runs. For small changes there is a shortcut. The gradient of the
# metric with respect to a head's output says how far the metric moves for a small step in each direction; a patch
# is the step from the run's own output to the source's. So
#
# `effect ≈ gradient · (source's activation - own activation)`, summed over positions and `d_head`,
#
# for all heads from two forward passes and one backward pass: **attribution patching** (Nanda, 2023). Prompts do
# not see each other, so the gradient of the *sum* of all prompts' metrics holds each prompt's own gradient.
#
# ### Exercise 4 · attribution patching (15 minutes, medium)
#
# A hook that keeps an activation for its gradient must **return** it (TransformerLens goes on with another view
# otherwise, and no gradient comes back). And the change needs no gradient: detach it, or compute it under
# `torch.no_grad()`.


# %% tags=["exercise:utils.circuits.patches.attribution_patching"]
def attribution_patching(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    metric: Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, " batch"]],
    *,
    name: str = "attn.hook_z",
) -> Float[Tensor, "layer head batch"]:
    """Estimates how far each head's patch would move each prompt's metric, by its gradient.

    Two forward passes and one backward pass for all heads of all layers, each patched at all
    positions. Source: Nanda, 2023, "Attribution patching".

    Args:
        tokens: the run that would be patched, and that the gradient is taken on.
        source: the run that the activations would come from.
        metric: takes logits, returns one number for each prompt.
        name: the hook in each block, [batch, pos, head, d_head].
    """
    ### BEGIN SOLUTION
    names = [f"blocks.{layer}.{name}" for layer in range(model.cfg.n_layers)]
    own = {}

    def keep(activation, hook):
        own[hook.layer()] = activation.requires_grad_()
        return activation

    logits = model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
    gradients = torch.autograd.grad(metric(logits).sum(), [own[i] for i in range(len(names))])
    with torch.no_grad():
        _, other = model.run_with_cache(source, names_filter=names)
        estimates = []
        for layer, gradient in enumerate(gradients):
            change = other[names[layer]] - own[layer]
            estimates.append((gradient * change).sum((1, 3)).T)
        return torch.stack(estimates)
    ### END SOLUTION


# %% tags=["check"]
attribution_patching = lesson_14.check_attribution_patching(attribution_patching)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First the run on `tokens`, with hooks that keep every layer's activation, gradients on. Then
# `torch.autograd.grad(metric(logits).sum(), [...])` gives one gradient for each. Last the cache of `source`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Of one layer `gradient * change` is [batch, pos, head, d_head]. Sum over axes 1 and 3, transpose to [head, batch],
# stack the layers.
#
# </details>

# %% tags=["folded"]
# Estimates every head, and draws the estimate beside the exact effect.
way = (denoised.source_by_prompt - denoised.base_by_prompt).mean()
estimated = attribution_patching(model, corrupted, clean, choose.logit_diff).cpu() / way
swept_heads = slice(SWEPT[0], None)
fit = torch.corrcoef(
    torch.stack([x[swept_heads].flatten() for x in (estimated.mean(-1), denoised.restored)])
)[0, 1]
print(f"correlation over 117 heads: {fit:.2f}")
named = [head for head in STRONG if head != (23, 0)]
fig = plots.scatter(
    by_head(estimated.mean(-1), denoised.restored),
    title="Denoising: which heads does the estimate miss?",
    x="attribution patching: share restored",
    y="exact: share restored",
    named=[head_name(head) for head in named],
    diagonal="exact",
)
sides = [SIDES.get(head, "middle right") for head in named]
fig.update_traces(textposition=sides, selector={"mode": "markers+text"})

# %% [markdown]
# Heads that write to the logits are estimated well. L20H0 and L17H4 get less than half of what they restore. The
# correlation over all heads hides it. **A small estimate from attribution patching is not a small effect.**
#
# ### Exercise 5 · a repair, and does it help here? (15 minutes, medium)
#
# L20H0 and L17H4 work through the *attention* of later heads, and attention has a softmax. Where it is saturated, a
# small step of the query changes nothing, and a large one everything. The **QK fix** of Kramár and colleagues
# (AtP*, 2024) takes the softmax out of the estimate. For a changed query, compute the new attention pattern
# *exactly*: scores with each key, divided by the root of `d_head`, no looking ahead, softmax. Only from the pattern
# on, use the gradient: `gradient · (new pattern - own pattern)`.
#
# Is the softmax what goes wrong for these two heads? You will test it.


# %% tags=["exercise:utils.circuits.patches.qk_fix"]
def qk_fix(
    gradient: Float[Tensor, "batch head query key"],
    pattern: Float[Tensor, "batch head query key"],
    queries: Float[Tensor, "batch pos head d_head"],
    keys: Float[Tensor, "batch pos kv_head d_head"],
) -> Float[Tensor, "head batch"]:
    """Estimates what other queries would do: the pattern exactly, only the rest by its gradient.

    Source: the QK fix of AtP*, Kramár et al., 2024 (arXiv 2403.00745).

    Args:
        gradient: of the metric with respect to `pattern`.
        pattern: the run's own attention.
        queries: the source run's queries, their rotation done.
        keys: the run's own keys, their rotation done. As many query heads, one after the other,
            share one key-value head: heads 0, 1 and 2 the first, where there are three times as
            many.
    """
    ### BEGIN SOLUTION
    keys = keys.repeat_interleave(queries.shape[2] // keys.shape[2], dim=2)
    scores = torch.einsum("bqhd, bkhd -> bhqk", queries, keys) / queries.shape[-1] ** 0.5
    future = torch.ones_like(scores[0, 0]).triu(1).bool()
    scores = scores.masked_fill(future, -torch.inf)
    change = scores.softmax(-1) - pattern
    return (gradient * change).sum((2, 3)).T
    ### END SOLUTION


# %% tags=["check"]
qk_fix = lesson_14.check_qk_fix(qk_fix)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Attention by hand: each query with each key, divided by the root of `d_head`, no looking ahead, softmax. This
# model has nine query heads and three key-value heads: `repeat_interleave` the keys first.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.einsum("bqhd, bkhd -> bhqk", queries, keys)` gives the scores. Fill the future (above the diagonal) with
# minus infinity. Then gradient times (new pattern - own pattern), summed over queries and keys.
#
# </details>

# %% [markdown]
# Patch a head, and take the queries that the four heads of layer 23 then have. Put them into the unpatched run: the
# exact effect. Or estimate it from there, by the gradient of the queries or with your fix.

# %% tags=["folded"]
# Patches a head, then takes the effect of the new queries in three ways.
HEADS = [head for _, head in MOVERS]


def three_ways(run: Tensor, source: Tensor, sender: Head) -> list[Tensor]:
    """What the queries of the four do once `sender` is patched: exactly, by gradient, by the fix."""
    at, kept = "blocks.23.attn.", {}

    def keep(activation, hook, name):
        kept[name] = activation
        return activation

    def put(query, hook):
        query = query.clone()
        query[:, :, HEADS] = new["q", 23][:, :, HEADS]
        return query

    names = {name: f"{at}hook_{name}" for name in ("q", "pattern", "rot_q", "rot_k")}
    hooks = [(each, lambda x, hook, name=name: keep(x, hook, name)) for name, each in names.items()]
    logits = model.run_with_hooks(run, fwd_hooks=hooks)
    unpatched = choose.logit_diff(logits)
    slopes = torch.autograd.grad(unpatched.sum(), [kept["q"], kept["pattern"]])
    with torch.no_grad():
        z = {sender[0]: model.run_with_cache(source)[1]["z", sender[0]]}
        with patched_heads(model, [sender], z):
            _, new = model.run_with_cache(run, names_filter=list(names.values()))
        exact = choose.logit_diff(model.run_with_hooks(run, fwd_hooks=[(names["q"], put)]))
        by_gradient = (slopes[0] * (new["q", 23] - kept["q"]))[:, :, HEADS].sum((1, 2, 3))
        fixed = qk_fix(slopes[1], kept["pattern"], new[names["rot_q"]], kept["rot_k"])[HEADS].sum(0)
    return [exact - unpatched.detach(), by_gradient, fixed]


ways = {}
for name, run, source, sign in [
    ("denoising", corrupted, clean, 1),
    ("noising", clean, corrupted, -1),
]:
    for head in [(20, 0), (17, 4)]:
        with patched_heads(model, [head], z_of(choose, source)):
            patched = score(choose, run)
        found = [patched - score(choose, run), *three_ways(run, source, head)]
        ways[name, head] = [sign * share.detach().cpu() / way for share in found]
plots.table(
    [(f"{name} {head_name(head)}", *map(shown, each)) for (name, head), each in ways.items()],
    columns=["", "patch: exact", "new queries: exact", "by gradient", "by QK fix"],
)

# %% [markdown]
# **Denoising**: once the new queries are known exactly, the plain gradient and the fix both come near. The estimate
# in the figure was lost *before* the queries, between the head and layer 23. **Noising**: from the new queries on
# the gradient finds less than half. The QK fix finds more, and not all. So an estimate is lost on the way
# to the queries, or in the softmax after them, and this repair helps with the second alone. Lesson 1.5 takes
# gradients at several points between the two runs instead.

# %% tags=["numbers"]
for head in [(20, 0), (17, 4)]:
    assert estimated[head].mean() < 0.5 * denoised.restored[head]
    whole, exact, slope, fixed = ways["denoising", head]
    assert abs(slope.mean() / exact.mean() - 1) < 0.2 and exact.mean() > 0.7 * whole.mean()
    assert abs(fixed.mean() / exact.mean() - 1) < 0.3
    whole, exact, slope, fixed = ways["noising", head]
    assert slope.mean() < 0.5 * exact.mean()
    for strong, weak in [(fixed, slope), (exact, fixed)]:
        mean, error = mean_and_error(strong - weak)
        assert mean > 3 * error
for head in [(29, 1), (29, 0)]:
    assert abs(estimated.mean(-1)[head] / denoised.restored[head] - 1) < 0.15
assert fit > 0.65

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "END before block 21 holds a position: restored by the same position",
            shown(control[list(sources)[2], "END, block 21"]),
            f"{shown(control[list(sources)[1], 'END, block 21'])} same answer, other position",
            "S-inhibition heads: mostly a position",
        ),
        (
            "L20H0 → queries in layer 23: restores",
            shown(links["L20H0 → queries of the four"]),
            f"{shown(links['control: L20H0 → query of L23H3'])} into another head",
            "S-inhibition heads to name movers' queries",
        ),
        (
            "L17H4 → values of L20KV0: restores",
            shown(links["L17H4 → values of L20KV0, MLPs free"]),
            f"{shown(links['control: L18H6 → values of L20KV0, MLPs free'])} from another head",
            "induction heads to S-inhibition heads' values",
        ),
        (
            "first link: logits moved, unseen names",
            shown(moved["unseen"]),
            f"{shown(list(moved.values())[-1])} into another key-value head",
            "previous-token heads to induction heads' keys",
        ),
        (
            "three induction heads noised together: break",
            shown(three),
            f"{shown(control_a)} L17H4 with two other heads",
            "backup heads exist, among name movers",
        ),
    ],
    columns=[
        "finding",
        "SmolLM2-135M-Instruct",
        "control",
        "GPT-2 small (Wang et al., 2022; not measured here)",
    ],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. On our scale an undecided model scores above one half. Which corruption would put it at 0? What would you lose?
# 2. Does localisation say where to *edit*? Hase and colleagues (2023) found that it hardly does. What does patching
#    measure, and what does an edit need?
#
# ## Common mistakes
#
# - Patching in the wrong direction: say which run is patched, and which one gives.
# - Reading a share as "how much the head knows": an undecided run scores above 0 as well.
# - One direction, one corruption, one metric, and the conclusion "*the* circuit".
#
# ## Where this breaks
#
# One template, always with IO named first; names repeat between prompts, so the standard errors are somewhat too
# small. A patched run mixes two runs, and may be in a state that no prompt gives. Paths here hold all other heads:
# what goes through two heads on the way is left out.
#
# ## Further reading
#
# - Heimersheim and Nanda (2024), *How to use and interpret activation patching*, arXiv 2404.15255
# - Zhang and Nanda (2023), *Towards best practices of activation patching*, arXiv 2309.16042
# - Wang et al. (2022), *Interpretability in the wild*, arXiv 2211.00593
# - Goldowsky-Dill et al. (2023), *Localizing model behavior with path patching*, arXiv 2304.05969
# - Nanda (2023), *Attribution patching: activation patching at industrial scale*,
#   [neelnanda.io](https://www.neelnanda.io/mechanistic-interpretability/attribution-patching)
# - Kramár et al. (2024), *AtP\**, arXiv 2403.00745
# - Hase et al. (2023), *Does localization inform editing?*, arXiv 2301.04213
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.3 · Who moves the name](13_direct_logit_attribution.ipynb) | **Next:** [1.5 · Finding circuits automatically](15_circuit_discovery.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/13_direct_logit_attribution.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("14")
