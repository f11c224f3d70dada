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
# # 1.4 · Patching: where does the position go?
#
# [![Open lesson 1.4 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/14_patching.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.3 · Who moves the name](13_direct_logit_attribution.ipynb) | **Next:** [1.5 · Finding circuits automatically](15_circuit_discovery.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/13_direct_logit_attribution.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. put an activation of one run into another, anywhere in the model, and say what the result shows;
# 2. build the corruption that answers *your* question;
# 3. follow a path from one head to the heads that read it;
# 4. estimate a whole sweep from one gradient, and repair the estimate where it fails.
#
# **Time** two hours. **Needs** lessons 1.1 and 1.3: hooks, induction heads, the logit difference. The core takes
# one hour, each *Going deeper* section 10 to 30 minutes.

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
# Two prompts that differ in one name, and so in their answer. The last row is the corrupted run with *one* vector
# of the clean run put in: the residual stream before one block, at one position. Before block 0 at position 10 that
# makes the clean prompt, so the answer flips. Move the sliders: where else does it flip?
#
# Putting activations of one run into another is **activation patching**. Nothing is set to zero or to a mean: the
# model sees only activations that it made itself.
#
# ## 1. The hypothesis
#
# Each prompt names two people. **IO**, the indirect object, comes once, and is the right answer. **S**, the
# subject, comes twice, at **S1** and **S2**. **END** is the last token, where the answer is predicted. The
# corrupted prompt has the other name at S2. Lesson 1.3 found heads that write the answer at END. But how does END
# know which name came twice?
#
# In GPT-2 small, Wang and colleagues (2022) found this chain. What travels along it is a *position*: "the name in
# second place came twice".

# %%
boxes = {
    "previous-token head<br>at the word after S1": (0, 0),
    "induction head<br>at S2": (1, 0),
    "S-inhibition head<br>at END": (2, 0),
    "name mover<br>at END": (3, 0),
}
first, second, third, fourth = boxes
figures.diagram(
    boxes,
    [(first, second, "keys"), (second, third, "values"), (third, fourth, "queries")],
    title="The hypothesis, from GPT-2 small: does SmolLM2 have this chain?",
)

# %% [markdown]
# The arrows say which *input* of the next head is changed. A head's queries decide where it looks, keys decide
# where it is looked for, and values are what it moves.
#
# First the gate: can the model do the task, and does it follow the change? The metric is lesson 1.3's logit
# difference, logit(IO) - logit(S), with the roles of the *clean* prompt in both runs. Heads are chosen on `choose`
# and tested on `test`, which has other names; `few` are eight prompts of `choose`.


# %%
def draw(n: int, *, seed: int, names=ioi.NAMES):
    return ioi.prompts(model, n, generator=torch.Generator().manual_seed(seed), names=names)


few, choose = draw(8, seed=0), draw(12, seed=0)
test = draw(12, seed=1, names=ioi.OTHER_NAMES)


def score(prompts, tokens) -> Float[Tensor, " batch"]:
    with torch.no_grad():
        return prompts.logit_diff(model(tokens))


print(model.to_str_tokens(few.tokens[0]))
print(few.positions)
for name, prompts in [("choose", choose), ("test", test)]:
    right = (score(prompts, prompts.tokens) > 0).float().mean()
    turned = (score(prompts, prompts.swapped().tokens) < 0).float().mean()
    print(f"{name}: right on {right:.0%} of the clean prompts, turned round on {turned:.0%}")

# %% [markdown]
# ## 2. Where is it, and when?
#
# Patch each layer and position in turn: a **sweep**. Clean activations into a corrupted run is called
# **denoising**. Logits are hard to compare between prompts, so the result is normalised: 0 is the corrupted run, 1
# is the clean one. It is not cut off there, since a patch can do harm, or more than the clean run does. Divide by
# the *mean* way from corrupted to clean: a single prompt's way may be near 0.
#
# ### Exercise 1 · the sweep (15 minutes, medium)
#
# The stream before block 5 is `blocks.5.hook_resid_pre`. `model.run_with_hooks(tokens, fwd_hooks=[(name, function)])`
# calls `function(activation, hook)` there, and goes on with what it returns. Positions count from 0, and BOS stands
# there.


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
        Each prompt's metric after the patch, normalised: 0 is the corrupted run, and 1 is the mean
        way to the clean run. (metric - the corrupted run's) / mean over prompts of (the clean
        run's - the corrupted run's).
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
    "Before block 18 of 30: where is the information which name came twice?",
    choices=["at S2 still", "at the words between S2 and END", "at END already"],
)

# %% [markdown]
# Your sweep over nine layers, with eight prompts. One position between S2 and END stands for them all. (The
# whole grid, 30 times 15, takes minutes.)

# %%
LAYERS = [0, 9, 18, 19, 20, 21, 23, 24, 25]
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
plots.curves(
    {
        ("share restored", ""): {
            name: torch.stack(
                [middle[:, i], middle[:, i] - error[:, i], middle[:, i] + error[:, i]]
            )
            for i, name in enumerate(["S2", "between", "END"])
        }
    },
    at=LAYERS,
    title="Where does a patch bring the answer back?",
    x="before block",
)

# %%
outcome("14.where", "at S2 still")

# %% [markdown]
# The difference stays at S2 for two thirds of the model: before block 19 a patch there restores **1.0**. Then it
# moves to END in two steps, in blocks 20 and 23. The words between play no part. Before S2 the runs are the same, so
# there is nothing to patch.

# %% tags=["numbers"]
at = {layer: i for i, layer in enumerate(LAYERS)}
for layer in (0, 9, 18, 19):
    assert abs(middle[at[layer], 0] - 1) < 0.1 and abs(middle[at[layer], 2]) < 0.1
assert middle[:, 1].abs().max() < 0.1
claim("S2 before block 19", middle[at[19], 0], text=1.0, within=0.1)
for low, high in [(20, 21), (23, 24)]:
    step = swept[at[high], 2] - swept[at[low], 2]
    assert step.mean() > 4 * step.std() / len(step) ** 0.5 and step.mean() > 0.1
assert abs(middle[at[23], 2] - middle[at[21], 2]) < 0.05
assert middle[at[25], 2] > 0.75 and middle[at[25], 0] < 0.15

# %% [markdown]
# ## 3. Audit: *what* moves?
#
# It is tempting to say: "the name moves from S2 to END in two steps". But the clean and the corrupted run differ in
# two things: which name is the right *answer*, and which *position* was repeated. The sweep cannot tell them apart.
# A source that shares only one of the two with the clean run can.
#
# ### Exercise 2 · separate the two (10 minutes, medium)
#
# Build the runs. Write down on paper what stands at IO, S1 and S2 in each, before you write code.


# %% tags=["exercise:utils.circuits.patches.corruptions"]
def corruptions(prompts) -> dict[str, Int[Tensor, "batch pos"]]:
    """Prompts of the same two names in which something has changed, and something has not.

    Args:
        prompts: has `tokens`; `io` and `s`, the tokens of the two names, [batch]; and `positions`
            of "IO", "S1" and "S2".

    Returns:
        Three sets of tokens, each as large as `prompts.tokens`:
        "position": the right answer is the same. The *other* one of the first two names comes
            again at S2.
        "answer": the other name is the right answer. The name that comes again at S2 stands where
            it stood before: where the second was repeated, the second still is.
        "both": the other name is right, and the other one of the first two comes again.
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
    "END before block 21, from a run with the same answer whose other position is repeated: what will it restore?",
    choices=["about as much as the clean run does", "about half of that", "next to nothing"],
)

# %% [markdown]
# Patch from each of them, by your sweep. The last two sources are prompts of *other names*, so they can bring no
# answer, only a position.

# %%
others = draw(8, seed=2, names=ioi.OTHER_NAMES)
changed = corruptions(few)
sources = {
    "clean: same answer, same position": None,
    "same answer, other position": changed["position"],
    "other answer, same position": changed["answer"],
    "other names, same position": others.tokens,
    "other names, other position": others.swapped().tokens,
}
PLACES = [(19, S2), (21, END), (25, END)]
layers, pair = [19, 21, 25], [S2, END]
control = {}
for name, source in sources.items():
    if source is None:  # swept above
        found = swept[[LAYERS.index(layer) for layer in layers]][:, [0, 2]]
    else:
        found = stream_sweep(
            model, corrupted, clean, few.logit_diff, layers=layers, positions=pair, source=source
        )
    for layer, pos in PLACES:
        control[name, layer, pos] = found[layers.index(layer), pair.index(pos)]
plots.table(
    [(name, *(shown(control[name, *place]) for place in PLACES)) for name in sources],
    columns=[
        "share restored ± standard error, from",
        "S2, block 19",
        "END, block 21",
        "END, block 25",
    ],
)

# %%
outcome("14.what", "next to nothing")

# %% [markdown]
# Read the columns. **END before block 21** holds a position: sources with the same position restore as much as the
# clean run, even with other names or the other answer. The run with the *same answer* restores next to nothing.
# **END before block 25** holds the name: a run with the same answer restores **1.0**, whatever its position. Other
# names leave the model roughly undecided, a little above one half: there a logit difference of 0 lies on this scale.
# **S2 before block 19** holds both.
#
# So the two steps carry two different things: first the position, then the name. Without the control the sweep
# reads as one.

# %% tags=["numbers"]
same_answer, same_position, named, misplaced = list(sources)[1:]


def above(one: str, other: str, place: tuple[int, int]) -> bool:
    """By more than three standard errors, paired."""
    mean, error = mean_and_error(control[one, *place] - control[other, *place])
    return bool(mean > 3 * error)


assert above(same_position, same_answer, (21, END)) and above(named, misplaced, (21, END))
assert abs(control[same_answer, 21, END].mean()) < 0.1
assert abs(control[misplaced, 21, END].mean()) < 0.15
assert above(same_answer, same_position, (25, END)) and control[same_answer, 25, END].mean() > 0.8
assert above(named, misplaced, (19, S2))
claim("same answer, END before 25", control[same_answer, 25, END].mean(), text=1.0, within=0.12)
undecided = -score(few, corrupted).mean() / (score(few, clean) - score(few, corrupted)).mean()
assert 0.45 < undecided < 0.7
for name in (named, misplaced):
    assert abs(control[name, 25, END].mean() - undecided) < 0.3

# %% [markdown]
# ## 4. Which heads?
#
# The stream holds all that was written so far. To find *who* writes, patch what one head adds: its `z`, the values
# that its attention brought together. Nothing leaves S2 before block 17, so layers 17 to 29 will do: 117 heads.
# Yours would take minutes: `sweep` of `utils.circuits.patching` gives the same numbers, but starts each run at its
# patch. Measured here, on the residual stream at S2:

# %%
import time

begin = time.process_time()
mine = stream_sweep(model, corrupted, clean, few.logit_diff, layers=[21], positions=[S2])
middle_time = time.process_time()
fast = sweep(model, corrupted, clean, few.logit_diff, what="resid_pre", layers=[21], progress=False)
yours, ours = middle_time - begin, time.process_time() - middle_time
difference = (mine.mean(-1)[:, 0] - fast.restored[[21], S2]).abs().max()
print(
    f"yours: one patch in {yours:.1f} s; sweep: five in {ours:.1f} s; largest difference {difference:.0e}"
)

# %% [markdown]
# We ask in both directions. *Denoising* puts clean into corrupted: is this head **enough** to bring the answer back?
# **Noising** puts corrupted into clean: is it **needed**? Where either of two heads is enough, denoising one
# restores all and noising one breaks nothing. Where both are needed it is the other way round.
#
# And what a head does in total is set beside what it does *directly*: the change of what it writes, read by the
# logits with everything between held fixed.

# %%
clean, corrupted = choose.tokens, choose.swapped().tokens
SWEPT = range(17, model.cfg.n_layers)
with torch.no_grad():
    log_clean = model(clean)[:, -1].log_softmax(-1)
rows = torch.arange(len(clean), device=clean.device)
metrics = {
    "logit difference": choose.logit_diff,
    "probability of IO": lambda logits: logits[:, -1].softmax(-1)[rows, choose.io],
    "KL from the clean run": lambda logits: (
        log_clean.exp() * (log_clean - logits[:, -1].log_softmax(-1))
    ).sum(-1),
}
denoised = sweep(model, corrupted, clean, metrics, what="z", layers=SWEPT, progress=False)
noised = sweep(model, clean, corrupted, metrics, what="z", layers=SWEPT, progress=False)
straight = path_sweep(
    model, corrupted, clean, choose.logit_diff, into="logits", layers=SWEPT, progress=False
).restored
restored, broken = (found["logit difference"] for found in (denoised, noised))
STRONG = top_heads(restored.restored.abs(), 8)


def by_head(x: Tensor, y: Tensor) -> dict[str, tuple[float, float]]:
    """Two scores of every swept head, each [layer, head], as points."""
    heads = [(layer, head) for layer in SWEPT for head in range(model.cfg.n_heads)]
    return {head_name(head): (x[head].item(), y[head].item()) for head in heads}


fig = plots.scatter(
    by_head(straight, restored.restored),
    title="Which heads work through others?",
    x="direct effect (share of the difference)",
    y="total effect, denoising (share restored)",
    named=[head_name(head) for head in STRONG],
    diagonal="all of the effect is direct",
)
sides = ["middle left" if head == (17, 4) else "middle right" for head in STRONG]
fig.update_traces(textposition=sides, selector={"mode": "markers+text"})


# %%
way = (restored.source_by_prompt - restored.base_by_prompt).mean()


def parts(head: Head) -> tuple[Tensor, Tensor]:
    """What denoising restores and what noising breaks, by prompt."""
    back = (restored.by_prompt[head] - restored.base_by_prompt) / way
    return back, (broken.base_by_prompt - broken.by_prompt[head]) / way


plots.table(
    [
        (head_name(head), *map(shown, parts(head)), shown(parts(head)[0] - parts(head)[1]))
        for head in STRONG
    ],
    columns=["head, on choose", "restores", "breaks", "restores minus breaks"],
)

# %% [markdown]
# Two kinds of heads. L23H3 (the head that lowers S, lesson 1.3), L29H1 (**0.28**) and L23H0 lie on the line: they
# write the answer. **L20H0 and L17H4 write next to nothing to the logits**, and restore about a third of the
# difference each. They must write *for other heads*. L29H0 and L24H4 push against the answer.
#
# The directions agree on most heads. L19H2 restores more than it breaks: something stands in for it, or the metric
# saturates. By noising alone you would have missed it. L23H3 and L20H0 break a little more than they restore here,
# which at other names is within two standard errors.

# %% tags=["numbers"]
assert {(23, 3), (20, 0), (17, 4), (29, 1), (29, 0), (24, 4), (19, 2), (23, 0)} == set(STRONG)
for head in [(20, 0), (17, 4)]:
    assert abs(straight[head]) < 0.03 and 0.25 < restored.restored[head] < 0.5
for head in [(23, 3), (29, 1), (23, 0)]:
    assert abs(straight[head] - restored.restored[head]) < 0.06
claim("L29H1", restored.restored[29, 1], text=0.28, within=0.04)
for head in [(29, 0), (24, 4)]:
    assert max(part.mean() for part in parts(head)) < -0.05
mean, error = mean_and_error(parts((19, 2))[0] - parts((19, 2))[1])
assert mean > 3 * error
assert difference < 1e-3

# %% [markdown]
# ## 5. Path patching: who reads whom?
#
# Patching L20H0 changes what *every* later component reads. To test one arrow of the diagram, let a single receiver
# read the change: **path patching**. In passes:
#
# 1. Run `tokens` and `source`, and keep both caches.
# 2. Run `tokens` again with the sender's output from `source`, and **hold all other heads** at what they gave in
#    `tokens`. So the change reaches each later head's input, and goes no further. Keep what the receivers *would*
#    read: their queries (or keys, or values).
# 3. Run `tokens` once more, with nothing held, and put those queries in. What follows from them is free to happen.
#
# MLPs are a choice. Held, only the direct path counts. Not held, they pass the change on.
#
# ### Exercise 3 · path patching (20 minutes, hard)
#
# The places are `blocks.L.attn.hook_z`, `blocks.L.hook_mlp_out` and `blocks.L.attn.hook_q` (or `_k`, `_v`), for each
# layer L. `hook.layer()` gives a hook's layer, and `cache["z", 3]` an activation of layer 3, also `"q"` or
# `"mlp_out"`. (Within a hook, `hook.name` may be another name of the same place.)


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
        into: what the receivers read it into: "q", "k" or "v", of `blocks.L.attn.hook_q`.
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
# `path_patch` for one receiver after another. For L17H4, MLPs are free here.

# %%
readers = {
    f"L20H0 into {letter}": receiver_sweep(
        model,
        prompts.swapped().tokens,
        prompts.tokens,
        prompts.logit_diff,
        sender=(20, 0),
        into=letter,
        progress=False,
    )
    for letter, prompts in [("q", choose), ("k", few), ("v", few)]
}
readers["L17H4 into v, MLPs free"] = receiver_sweep(
    model,
    corrupted,
    clean,
    choose.logit_diff,
    sender=(17, 4),
    into="v",
    hold_mlps=False,
    progress=False,
)
plots.table(
    [
        (
            name,
            ", ".join(
                f"{head_name(h)} {found.restored[h]:+.2f} ± {found.restored_standard_error[h]:.2f}"
                for h in top_heads(found.restored.abs(), 5)
            ),
        )
        for name, found in readers.items()
    ],
    columns=["path", "receivers (share restored); for keys and values, of key-value heads"],
)

# %%
queries = readers["L20H0 into q"].restored
n_readers = int((queries > 0.02).sum())
outcome("14.readers", "one" if n_readers == 1 else "2 to 8" if n_readers <= 8 else "more than 8")

# %% [markdown]
# L20H0 is read by queries alone, and not by one name mover but by four heads of layer 23: L23H0, L23H7, L23H1 and
# L23H2. L23H0, lesson 1.3's name mover, brings less than half. L17H4 is read mostly by one key-value head of layer
# 20, number 0, which serves L20H0.
#
# These receivers were chosen on `choose`. Now all links on the *same* held-out prompts, `test`, by your own
# function. Two controls: another receiver (L23H3, which is as strong), and another sender: of the heads in layers 18
# to 22 that are not in the table of section 4, the one whose output at END changes most like L20H0's in length.

# %%
MOVERS = [(23, 0), (23, 1), (23, 2), (23, 7)]
pair = test.swapped().tokens, test.tokens
with torch.no_grad():
    caches = [
        model.run_with_cache(tokens, names_filter=lambda n: "hook_z" in n)[1] for tokens in pair
    ]
lengths = {}
for layer in range(18, 23):
    moved = (caches[1]["z", layer] - caches[0]["z", layer])[:, -1]
    for head in range(model.cfg.n_heads):
        lengths[layer, head] = (moved[:, head] @ model.W_O[layer, head]).norm(dim=-1).mean().item()
matched = min(
    (head for head in lengths if head not in STRONG),
    key=lambda head: abs(lengths[head] - lengths[20, 0]),
)
base, top = (score(test, tokens) for tokens in pair)


def link(sender: Head, receivers: list[Head], into: str, *, hold_mlps: bool = True) -> Tensor:
    """The share that one path restores on `test`, by prompt."""
    logits = path_patch(
        model, *pair, sender=sender, receivers=receivers, into=into, hold_mlps=hold_mlps
    )
    return (test.logit_diff(logits) - base) / (top - base).mean()


links = {
    "L17H4 → values of L20H0, direct": link((17, 4), [(20, 0)], "v"),
    "L17H4 → values of L20H0, MLPs free": link((17, 4), [(20, 0)], "v", hold_mlps=False),
    "L20H0 → queries of the four of layer 23": link((20, 0), MOVERS, "q"),
    "L19H2 → queries of the four": link((19, 2), MOVERS, "q"),
    "control: L20H0 → query of L23H3": link((20, 0), [(23, 3)], "q"),
    f"control: {head_name(matched)} → queries of the four": link(matched, MOVERS, "q"),
}
with patched_heads(model, [(20, 0)], {20: caches[1]["z", 20]}):
    links["L20H0 → everything"] = (score(test, pair[0]) - base) / (top - base).mean()
plots.intervals(
    {
        "share restored on held-out names, ± 2 standard errors": {
            name: (mean, mean - 2 * error, mean + 2 * error)
            for name, (mean, error) in ((n, mean_and_error(v)) for n, v in links.items())
        }
    },
    title="Do the links hold on names that did not choose them?",
    marks={"share restored on held-out names, ± 2 standard errors": 0.0},
)

# %% [markdown]
# Both links hold. Through the four queries alone, L20H0 restores as much as through everything that it reaches, or
# more: its effect *is* these queries. L19H2 carries some of the same message. For the first link the MLPs of layers
# 17 to 19 matter: let free, they about double it. And L23H3 gets no query from L20H0. It looks at S2 in both runs,
# so nothing that *differs* between them has to tell it where.

# %% tags=["numbers"]
direct, through, four, helper, remover, stranger, total = links.values()
for strong, weak in [
    (through, direct),
    (four, remover),
    (four, stranger),
    (direct, 0 * direct),
    (helper, stranger),
    (four, 0.8 * total),
]:
    mean, error = mean_and_error(strong - weak)
    assert mean > 3 * error, mean
assert through.mean() > 1.5 * direct.mean()
assert queries[23, 0] < 0.6 * sum(queries[head] for head in MOVERS)
assert abs(remover.mean()) < 0.03
errors = readers["L20H0 into q"].restored_standard_error
assert all(queries[head] > max(0.02, 2 * errors[head]) for head in MOVERS)
assert {(23, 0), (23, 7)} <= set(top_heads(queries, 3))
assert top_heads(readers["L17H4 into v, MLPs free"].restored, 1) == [(20, 0)]
assert max(readers[f"L20H0 into {x}"].restored.abs().max() for x in "kv") < 0.03

# %% [markdown]
# ### Investigation · the first link (10 minutes, medium)
#
# Which head tells L17H4 where to look? It is an induction head: at S2 it should look at the word after S1. Find the
# head that tells it, and by which of its inputs. **Budget: ten calls of `path_patch`**, with `few`.
#
# - Receivers for `"k"` and `"v"` are key-value heads: L17H4 uses number 1 of layer 17, so `[(17, 1)]`.
# - Score it as `few.logit_diff(path_patch(...))`, beside the unpatched run's `score(few, few.tokens)`.
# - The corruption used so far will give 0 for every sender. Why? You have built a better one.
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
# first two names: `corruptions(few)["position"]`. It keeps the answer right, so score in logits, noising: from
# `few.tokens`, how far does the path move the logit difference?
#
# </details>
# <details><summary>Hint 2</summary>
#
# A previous-token head writes "the word before me is ..." at each position. An induction head finds that position
# because it is *looked for* there, by its keys. Take the strongest previous-token heads of lesson 1.1, those just
# below layer 17 first.
#
# </details>

# %%
sender, into = first_link[:2], first_link[2]
receiver = (17, 4) if into == "q" else (17, 1)
moved = {}
tried = corruptions(choose)
for name, tokens in [("position", tried["position"]), ("both", tried["both"])]:
    logits = path_patch(
        model, choose.tokens, tokens, sender=sender, receivers=[receiver], into=into, hold_mlps=True
    )
    moved[name] = choose.logit_diff(logits) - score(choose, choose.tokens)
plots.table(
    [(name, shown(change)) for name, change in moved.items()],
    columns=[
        "corruption",
        f"{head_name(sender)} into {into} of L17H4 alone: logit difference moves by",
    ],
)

# %% [markdown]
# The path shows under the corruption that changes the first two names. Under "both", which changes S2 alone, it is
# 0. **A corruption hides everything that happens before it.** Here is the chain in SmolLM2. Its first arrow was
# measured by noising, the others by denoising.

# %% tags=["numbers"]
found = path_sweep(
    model,
    few.tokens,
    changed["position"],
    few.logit_diff,
    receivers=[(17, 1)],
    into="k",
    layers=range(15, 17),
    progress=False,
)
assert top_heads(found.effect.abs(), 1) == [(16, 0)] == [first_link[:2]]
assert found.effect.abs().flatten().topk(2).values[1] < 0.2
mean, error = mean_and_error(moved["position"])
assert mean < -2 * error and mean < -1
assert moved["both"].abs().mean() < 0.05

# %%
boxes = {
    "L16H0<br>at the word after S1": (0, 0),
    "L17H4<br>at S2": (1.1, 0),
    "MLPs 17 to 19<br>at S2": (1.65, 0.9),
    "L20H0<br>at END": (2.2, 0),
    "L23H0, H1, H2, H7<br>at END": (3.4, 0),
    "L23H3<br>at END, looks at S2": (3.4, 0.9),
    "logits": (4.5, 0.45),
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
# ### The recipe
#
# | choose | for "is it enough?" | for "is it needed?" | mind |
# | --- | --- | --- | --- |
# | **direction** | denoising: clean into corrupted | noising: corrupted into clean | report both |
# | **corruption** | changes only what you ask about | the same | what happens before it is hidden |
# | **metric** | logit difference, normalised | the same | probability saturates, accuracy jumps |
# | **no known answer** | KL divergence from the clean run's distribution | the same | sees any change, also of what you did not ask |
# | **sites** | stream, then heads, then paths | sets of heads | choose on one set, test on another |

# %% [markdown]
# ## 6. Going deeper: every patch from one gradient
#
# *30 minutes.* A sweep over all heads takes as many runs. For small changes there is a shortcut. The gradient of the
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

# %%
estimated = {
    "denoising": attribution_patching(model, corrupted, clean, choose.logit_diff).cpu() / way,
    "noising": -attribution_patching(model, clean, corrupted, choose.logit_diff).cpu() / way,
}
exact = {"denoising": restored.restored, "noising": broken.restored}


def correlation(x: Tensor, y: Tensor) -> float:
    return torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1].item()


fits = {
    name: correlation(estimate.mean(-1)[17:], exact[name][17:])
    for name, estimate in estimated.items()
}
print({name: f"correlation over 117 heads: {fit:.2f}" for name, fit in fits.items()})
plots.scatter(
    by_head(estimated["noising"].mean(-1), exact["noising"]),
    title="Noising: which heads does the estimate miss?",
    x="attribution patching: share broken",
    y="exact: share broken",
    named=[head_name(head) for head in STRONG],
    diagonal="exact",
)

# %% [markdown]
# Heads that write to the logits are estimated well. L20H0 and L17H4 are lost: noising L20H0 breaks a third of the
# difference, and the estimate says nothing, or the opposite. Denoising gives a third of what they restore. The
# correlation over all heads hides it. **A 0 from attribution patching is not a 0.**
#
# Why these two? They work through the *attention* of later heads. Its softmax is saturated: a small step of the
# query changes nothing, and a large one everything. The repair of Kramár and colleagues (AtP*, 2024), the **QK fix**:
# for queries and keys, compute the new attention pattern exactly, and take the gradient only from the pattern on.
#
# ### Exercise 5 · the QK fix (10 minutes, medium)


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
# Each head's query from the corrupted run into the clean one, in layers 21 to 29: exact, by its gradient, and
# with the fix.

# %%
LATE = range(21, model.cfg.n_layers)
exact_q = (
    -sweep(
        model, clean, corrupted, choose.logit_diff, what="q", layers=LATE, progress=False
    ).effect[21:]
    / way
)
plain = attribution_patching(model, clean, corrupted, choose.logit_diff, name="attn.hook_q").cpu()
plain, patterns = -plain.mean(-1)[21:] / way, {}


def keep_pattern(pattern, hook):
    patterns[hook.layer()] = pattern
    return pattern


hooks = [(f"blocks.{layer}.attn.hook_pattern", keep_pattern) for layer in LATE]
logits = model.run_with_hooks(clean, fwd_hooks=hooks)
gradients = torch.autograd.grad(choose.logit_diff(logits).sum(), [patterns[i] for i in LATE])
with torch.no_grad():
    _, own = model.run_with_cache(clean, names_filter=lambda n: n.endswith("hook_rot_k"))
    _, other = model.run_with_cache(corrupted, names_filter=lambda n: n.endswith("hook_rot_q"))
fixed = torch.stack(
    [
        qk_fix(
            gradient,
            patterns[layer].detach(),
            other[f"blocks.{layer}.attn.hook_rot_q"],
            own[f"blocks.{layer}.attn.hook_rot_k"],
        )
        for layer, gradient in zip(LATE, gradients, strict=True)
    ]
)
fixed = -fixed.mean(-1).detach().cpu() / way
misses = {"gradient": plain - exact_q, "QK fix": fixed - exact_q}
misses = {name: miss.pow(2).mean().sqrt().item() for name, miss in misses.items()}
print("root mean square error:", {name: round(miss, 4) for name, miss in misses.items()})
strong = top_heads(exact_q.abs(), 5)
plots.table(
    [
        (head_name((head[0] + 21, head[1])), *(f"{x[head]:+.2f}" for x in (exact_q, plain, fixed)))
        for head in strong
    ],
    columns=["query of (share broken)", "exact", "gradient", "QK fix"],
)

# %% [markdown]
# The fix makes the error about **7.0** times smaller, at the cost of one matrix product a head. It repairs queries and
# keys. What reaches them through earlier heads, and effects that cancel (for which AtP* drops gradients layer by
# layer, *GradDrop*), it leaves.
#
# **Gradients that get lost.** A gradient flows to what was patched *in* only if the graph reaches it. After
# `.detach()`, or for what was cached under `torch.no_grad()`, `.grad` is `None` without any complaint. Assert that
# it is there and not all zeros before you use it.

# %% tags=["numbers"]
for name in ("denoising", "noising"):
    for head in [(20, 0), (17, 4)]:
        mean, error = mean_and_error(estimated[name][head])
        assert mean < 0.5 * exact[name][head] and exact[name][head] > 0.1
    for head in [(29, 1), (29, 0)]:
        assert abs(estimated[name].mean(-1)[head] / exact[name][head] - 1) < 0.15
assert estimated["noising"].mean(-1)[20, 0] < 0.03
assert min(fits.values()) > 0.65
claim("error, gradient over fix", misses["gradient"] / misses["QK fix"], text=7.0, within=1.05)

# %% [markdown]
# ## 7. Going deeper: who stands in for L17H4?
#
# *10 minutes.* Layer 17 has two more induction heads that share L17H4's keys: L17H3 and L17H5. Do they do part of
# its work? The suspicion arose on the names of `test`, so it is examined on names not used before. The control adds
# two other heads of the layer.

# %%
unseen = draw(16, seed=3, names=ioi.UNSEEN_NAMES)
with torch.no_grad():
    _, cache = model.run_with_cache(unseen.swapped().tokens, names_filter="blocks.17.attn.hook_z")
noise = {17: cache["z", 17]}
usual = score(unseen, unseen.tokens)
full = (usual - score(unseen, unseen.swapped().tokens)).mean()
SETS = {
    "L17H4": [(17, 4)],
    "L17H3 and L17H5": [(17, 3), (17, 5)],
    "all three": [(17, 3), (17, 4), (17, 5)],
    "control: L17H4, L17H0, L17H8": [(17, 4), (17, 0), (17, 8)],
}
lost = {}
for name, heads in SETS.items():
    with patched_heads(model, heads, noise):
        lost[name] = (usual - score(unseen, unseen.tokens)) / full
extra = lost["all three"] - lost["L17H4"] - lost["L17H3 and L17H5"]
plots.table(
    [
        *((name, shown(share)) for name, share in lost.items()),
        ("all three minus the sum", shown(extra)),
    ],
    columns=["noised", "share broken"],
)

# %% [markdown]
# Alone, L17H3 and L17H5 break nothing. Together with L17H4 they break more than the sum: they can do part of its
# work. A sweep of single noisings gives them 0. What this does not show is *how*: they may wait until L17H4 fails,
# or run along always while something later saturates.

# %% tags=["numbers"]
mean, error = mean_and_error(extra)
assert mean > 3 * error
assert abs(lost["L17H3 and L17H5"].mean()) < 0.05
mean, error = mean_and_error(lost["all three"] - lost["control: L17H4, L17H0, L17H8"])
assert mean > 2 * error

# %% [markdown]
# ## 8. Going deeper: metrics, and answers of several tokens
#
# *10 minutes.* The sweeps of section 4 also scored two other metrics. Nothing but the metric differs between the
# columns.

# %%
names = list(metrics)
plots.table(
    [
        (
            head_name(head),
            *(
                f"{denoised[name].restored[head]:+.2f}, {noised[name].restored[head]:+.2f}"
                for name in names
            ),
        )
        for head in STRONG
    ],
    columns=["head: restores, breaks", *names],
)

# %% [markdown]
# **Probability** saturates: the corrupted run gives IO next to none, so denoising L20H0 moves it far less than noising
# does. **KL** asks for no answer at all. It is 0 where the patched run predicts as the clean one
# does, and it counts every change of the distribution. Here it points to the same heads.
#
# **Answers of several tokens.** Give the model prompt *and* answer in one pass (*teacher forcing*), and score the
# answer's log-probability: the sum over its tokens, each predicted one position before it stands. Both runs end in
# the same answer. Attribution patching then costs three passes:

# %%
TEXT = "The key opens room {}. Go to room {}"
generator = torch.Generator().manual_seed(0)
numbers = []
while len(numbers) < 12:
    a, b = [(torch.randperm(9, generator=generator)[:3] + 1).tolist() for _ in range(2)]
    if all(x != y for x, y in zip(a, b, strict=True)):
        numbers.append(["".join(map(str, digits)) for digits in (a, b)])
stated = torch.cat([model.to_tokens(TEXT.format(a, a)) for a, _ in numbers])
misstated = torch.cat([model.to_tokens(TEXT.format(b, a)) for a, b in numbers])


def digit(i: int | slice):
    """The log-probability of one digit of the clean answer, or of several together."""

    def log_prob(logits: Tensor) -> Tensor:
        each = logits[:, -4:-1].log_softmax(-1).gather(-1, stated[:, -3:, None])[..., 0]
        return each[:, i] if isinstance(i, int) else each[:, i].sum(-1)

    return log_prob


by_digit = {
    name: attribution_patching(model, misstated, stated, digit(i)).mean(-1).cpu()
    for name, i in [("first digit", 0), ("last digit", 2), ("whole answer", slice(0, 3))]
}
plots.table(
    [
        (name, ", ".join(f"{head_name(h)} {found[h]:+.2f}" for h in top_heads(found, 4)))
        for name, found in by_digit.items()
    ],
    columns=["scored", "heads that help most, estimated (nats)"],
)

# %% [markdown]
# The first digit and the last have different heads: one must be found in the prompt, the other continues a repeat.
# Score the first token alone and you miss the second kind. (And look at what it *is*: in this tokenizer the first
# token of a number is a space, which both runs predict.) For answers that come after a long generated text, patch
# only the part that both runs share.

# %% tags=["numbers"]
for found in (denoised, noised):
    shares = found["KL from the clean run"].restored
    assert {(20, 0), (23, 3)} <= set(top_heads(shares.abs(), 4))
low = denoised["probability of IO"].restored[20, 0]
assert noised["probability of IO"].restored[20, 0] > low + 0.2
first_digit, last_digit = by_digit["first digit"], by_digit["last digit"]
assert top_heads(first_digit, 1) != top_heads(last_digit, 1)

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "END before block 21 holds a position",
            f"{shown(control[list(sources)[2], 21, END])}",
            f"{shown(control[list(sources)[1], 21, END])} same answer, other position",
            "S-inhibition heads: mostly a position",
        ),
        (
            "L20H0 → queries in layer 23",
            shown(links["L20H0 → queries of the four of layer 23"]),
            f"{shown(links[list(links)[5]])} {head_name(matched)}, as long a change",
            "S-inhibition heads to name movers' queries",
        ),
        (
            "L17H4 → values of L20H0",
            shown(links["L17H4 → values of L20H0, MLPs free"]),
            f"{shown(links['L17H4 → values of L20H0, direct'])} MLPs held",
            "induction heads to S-inhibition heads' values",
        ),
        (
            "first link: logits moved",
            shown(moved["position"]),
            f"{shown(moved['both'])} corruption at S2 alone",
            "previous-token heads to induction heads' keys",
        ),
        (
            "all three induction heads, noised together",
            shown(lost["all three"]),
            f"{shown(lost['L17H4'])} L17H4 alone",
            "backup heads exist, among name movers",
        ),
    ],
    columns=[
        "share restored or broken",
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
# 3. L24H4 pushes against the answer. Its query changes when L20H0 is patched. What would you measure to call it
#    self-repair (lesson 1.3)?
#
# ## Common mistakes
#
# - Patching in the wrong direction: say which run is patched, and which one gives.
# - Reading a share as "how much the head knows": an undecided run scores above 0 as well.
# - Prompts of different lengths, so that positions do not match.
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
