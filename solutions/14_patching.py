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
# 2. choose direction, corruption and metric, knowing what each of them hides, also when the answer is several
#    tokens;
# 3. follow a path from a head back to those that feed it;
# 4. estimate a whole sweep from one gradient, knowing where the estimate fails.
#
# **Time** two hours. **Needs** lessons 00 to 1.3: hooks, the cache, mean ablation, the logit difference.
# **Runs** in about three minutes on a laptop's processor.

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
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.ioi import task as ioi
from utils.circuits import figures
from utils import plots
from utils.checks import lesson_14
from utils.lesson import claim
from utils.heads import head_name, random_heads, top_heads
from utils.models import load

model = load()
cfg = model.cfg

# %% [markdown]
# ## 1. Two runs, one activation
#
# Lesson 1.3 read what each head *wrote*, and took heads away. Patching asks a sharper question. Take two prompts
# that differ in one thing:
#
# - **clean**: `When Paul and John went to the garden, John gave a drink to` — goes on with ` Paul`
# - **corrupted**: `When Paul and John went to the garden, Paul gave a drink to` — goes on with ` John`
#
# Run the model on the corrupted prompt, and at *one* place put in the activation of the clean run. If the answer
# flips back, that place carries the difference. Nothing is removed, and nothing is set to zero: the model sees
# only activations that it made itself.
#
# First the gate, on both runs. The metric is lesson 1.3's: logit(IO) - logit(S), where IO and S are the names'
# roles in the *clean* prompt. We keep scoring Paul against John in both runs. As always, what is chosen on `NAMES` is
# tested on `OTHER_NAMES`.

# %% tags=["nbval-check-output"]
choose = ioi.prompts(model, 4, generator=torch.Generator().manual_seed(0))
test = ioi.prompts(
    model, 8, generator=torch.Generator().manual_seed(1), names=ioi.OTHER_NAMES
)  # another template, too:
reworded = ioi.prompts(
    model, 8, generator=torch.Generator().manual_seed(1), names=ioi.OTHER_NAMES, template=2
)


def score(prompts, tokens) -> torch.Tensor:
    """The logit difference of each prompt, [batch]."""
    with torch.no_grad():
        return prompts.logit_diff(model(tokens))


print(choose.texts[0])
print(model.to_str_tokens(choose.tokens[0]))
print("S2 at", choose.positions["S2"], "and END at", choose.positions["END"])
for name, prompts in [("choose", choose), ("test", test), ("reworded", reworded)]:
    right = (score(prompts, prompts.tokens) > 0).float().mean()
    turned = (score(prompts, prompts.swapped().tokens) < 0).float().mean()
    print(f"{name}: right on {right:.0%} of the clean prompts, turned round on {turned:.0%}")

# %% [markdown]
# The model does the task, and it follows the change. BOS stands at position 0, so the first word is at 1: count
# positions on the *tokens*, never on the text, and use the same setting of `prepend_bos` for all runs. A cache
# that is off by one is usually that.
#
# ### Exercise 1 · one position (5 minutes, easy)


# %% tags=["exercise:utils.circuits.patches.patch_position"]
def patch_position(
    activation: Float[Tensor, "batch pos d_model"],
    source: Float[Tensor, "batch pos d_model"],
    pos: int,
) -> Float[Tensor, "batch pos d_model"]:
    """A copy of `activation` that has the source's values at position `pos`.

    Args:
        activation: of the run that is patched.
        source: of the other run.
        pos: the position to patch, in every row.
    """
    ### BEGIN SOLUTION
    patched = activation.clone()
    patched[:, pos] = source[:, pos]
    return patched
    ### END SOLUTION


# %% tags=["check"]
patch_position = lesson_14.check_patch_position(patch_position)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Copy first. In a hook, `activation` may be a tensor that somebody else holds; `source` surely is one.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Positions are the second axis, and all rows are patched at once.
#
# </details>

# %% [markdown]
# Now one patch by hand. The residual stream that enters layer 21 (`resid_pre`), at one position. Logits are hard
# to compare between prompts, so the result goes on a scale: a share of 0 is the corrupted run, and 1 the clean
# one. *Predict first:* what will the patch give at S2, the changed name? At END, where the answer is made? At the
# word after S2? And in layer 0 at S2?

# %%
clean, corrupted = choose.tokens, choose.swapped().tokens
clean_score, corrupted_score = score(choose, clean).mean(), score(choose, corrupted).mean()
positions = choose.positions


def share(patched) -> float:
    """The share restored. Not cut off at 0 and 1: a patch can do harm, or more than the clean run."""
    return ((patched - corrupted_score) / (clean_score - corrupted_score)).item()


def patch_at(place: tuple[str, str], source, *, tokens=corrupted) -> float:
    """The share, with a hook's activation at "S2" or "END" taken from the run on `source`."""
    name, label = place
    with torch.no_grad():
        _, cache = model.run_with_cache(source, names_filter=name)
        hook = (name, lambda own, hook: patch_position(own, cache[name], positions[label]))
        with model.hooks(fwd_hooks=[hook]):
            return share(score(choose, tokens).mean())


for layer, label in [(0, "S2"), (21, "S2"), (21, "END")]:
    restored = patch_at((f"blocks.{layer}.hook_resid_pre", label), clean)
    print(f"layer {layer}, {label}: share restored {restored:.2f}")

# %% [markdown]
# In layer 0 at S2 it is 1 *by construction*: that patch makes the clean prompt. A good first test of any patching
# code.
#
# Now everywhere: 30 layers times 15 positions. `utils.circuits.patching.sweep` gives the same numbers as your hook,
# faster: it starts each patched run where the patch is, and runs many together. (`transformer_lens.patching` has
# such sweeps too, one full pass for each patch.)

# %%
from utils.circuits.patching import path_sweep, sweep


stream = sweep(model, corrupted, clean, choose.logit_diff, what="resid_pre")
labels = model.to_str_tokens(clean[0])
labels[positions["S2"]], labels[positions["END"]] = "S2", "END"
plots.heatmap(
    stream.restored,
    title="The difference waits at S2, and moves to END in layers 19 to 24",
    x="",
    y="layer",
    columns=labels,
    label="share restored",
)

# %% [markdown]
# The difference stays at S2 through two thirds of the model: entering layer 19, patching S2 alone restores
# **1.0**. Then it moves, in two steps. Entering layer 21, END restores **0.34** and S2 still **0.58**. Entering
# layer 25, END restores **0.91**, and S2 next to nothing.
#
# Before S2 the two runs are the same, so nothing can be patched there: these cells are 0 by construction, and are
# not even run. The words *between* S2 and END could have carried something, and hardly do.
#
# ### Control: what has to be right about the source?
#
# The clean run differs from the corrupted one in two ways: in the *name* at S2, and in the *position* that it
# points to (the second of the first two names comes twice, not the first). Which of them was patched in? Take
# sources that have only one of the two, or neither. Other names come from `test`: they share no name with these
# prompts. *Predict first:* what share will each source restore at S2, and at END?


# %%
def first_two_exchanged(prompts) -> torch.Tensor:
    """The tokens with IO and S1 in each other's place: the same answer, from the other position."""
    tokens, (a, b) = prompts.tokens.clone(), (prompts.positions["IO"], prompts.positions["S1"])
    tokens[:, [a, b]] = tokens[:, [b, a]]
    return tokens


second_twice, first_twice = test.tokens, test.swapped().tokens
sources = {
    "own names, second one twice (the clean run)": [clean],
    "own names, first one twice, same answer": [first_two_exchanged(choose)],
    "other names, second one twice": second_twice.split(len(clean)),
    "other names, first one twice": first_twice.split(len(clean)),
}
places = [(19, "S2"), (21, "END"), (25, "END")]
control = {}
for name, runs in sources.items():
    for layer, label in places:
        shares = [patch_at((f"blocks.{layer}.hook_resid_pre", label), run) for run in runs]
        control[name, layer, label] = sum(shares) / len(shares)
no_opinion = share(torch.zeros_like(clean_score))
_, same_answer, right_position, wrong_position = sources
plots.table(
    [(name, *(f"{control[name, *place]:.2f}" for place in places)) for name in sources],
    columns=["share restored, from", *(f"entering layer {i}, {label}" for i, label in places)],
)

# %% [markdown]
# Read the columns. A run with *no opinion*, a logit difference of 0, would score **0.62**: the corrupted run is
# that far below 0.
#
# - **S2, entering layer 19.** Other names restore **0.80** if the second one came twice, and **0.21** if the
#   first did. So S2 already holds a *position*, and it works without the name.
# - **END, entering layer 21.** Other names with the right position restore **0.52**, no less than the prompt's
#   own run. The own names *and the same answer*, with the wrong position, restore **0.02**. What stands at END
#   there is a position, **not the name**.
# - **END, entering layer 25.** Now the own names decide: with the same answer from the other position it is
#   **1.04**. Other names leave the run near no opinion, whichever came twice. Here it *is* the name.
#
# Without this control the heatmap reads as "the name moves to END in two steps". With it, the two steps carry two
# different things.

# %% tags=["numbers"]
claim("S2, entering layer 19", stream.restored[19, positions["S2"]], text=1.0, within=0.03)
claim("END, entering layer 21", stream.restored[21, positions["END"]], text=0.34, within=0.02)
claim("S2, entering layer 21", stream.restored[21, positions["S2"]], text=0.58, within=0.02)
claim("END, entering layer 25", stream.restored[25, positions["END"]], text=0.91, within=0.02)
claim("no opinion", no_opinion, text=0.62, within=0.01)
claim("other names, right, S2", control[right_position, 19, "S2"], text=0.80, within=0.03)
claim("other names, wrong, S2", control[wrong_position, 19, "S2"], text=0.21, within=0.03)
claim("other names, right, END 21", control[right_position, 21, "END"], text=0.52, within=0.03)
claim("same answer, END 21", control[same_answer, 21, "END"], text=0.02, within=0.02)
claim("same answer, END 25", control[same_answer, 25, "END"], text=1.04, within=0.03)
for name in (right_position, wrong_position):
    assert abs(control[name, 25, "END"] - no_opinion) < 0.12
assert abs(stream.restored[25, positions["S2"]]) < 0.1
assert stream.restored[:, positions["S2"] + 1 : positions["END"]].abs().max() < 0.1

# %% [markdown]
# ## 2. Who moves it? Layers, then heads
#
# The residual stream holds everything that was written so far. To find *who* writes, patch what one attention
# layer, one MLP or one head adds.

# %%
attention = sweep(model, corrupted, clean, choose.logit_diff, what="attn_out")
mlps = sweep(model, corrupted, clean, choose.logit_diff, what="mlp_out")
MLP_0 = ("blocks.0.hook_mlp_out", "S2")
for name, found in [("attention", attention), ("MLP", mlps)]:
    order = found.restored.abs().flatten().argsort(descending=True)[:5].tolist()
    for layer, pos in [divmod(i, len(labels)) for i in order]:
        print(f"{name} {layer} at {labels[pos]}: {found.restored[layer, pos]:+.2f}")
print(f"MLP 0 at S2, *corrupted into clean*: {patch_at(MLP_0, corrupted, tokens=clean):.3f}")

# %% [markdown]
# Attention moves things between positions, and four layers of it stand out: 17 at S2, 20 and 23 at END, with
# **0.20**, **0.21** and **0.73**, and layer 24 with **-0.22**, which works against. A negative share means: with
# *its clean output* the answer gets worse.
#
# Among the MLPs, number 0 at S2 restores all of it, **1.00**. Did you find where the task is done? No: MLP 0 acts
# as a second embedding. Later layers read the token from *it*, whatever the embedding in the stream says. The
# last line shows the same from the other side: the clean embedding with the corrupted output of MLP 0 scores
# **0.00**. To patch MLP 0 is to patch the input. "It restores everything" is a reason to look for what is
# trivial.
#
# Now all 270 heads, each at all positions. One sweep can score several metrics at once, at no cost: a dictionary
# goes in, a dictionary comes out. All but the first are for section 5.
#
# What `sweep` returns has the metric on the unpatched run (`.base`) and on the run that gives the activations
# (`.source`), what each patch changes (`.effect`), and that as a share of the way from base to source
# (`.restored`).

# %%
rows = torch.arange(len(clean), device=cfg.device)
metrics = {
    "logit difference": choose.logit_diff,
    "logit of IO": lambda logits: logits[rows, -1, choose.io],
    "probability": lambda logits: logits[:, -1].softmax(-1)[rows, choose.io],
    "accuracy": lambda logits: (choose.logit_diff(logits) > 0).float(),
}
denoise = sweep(model, corrupted, clean, metrics, what="z")
restored = denoise["logit difference"].restored
plots.heatmap(
    restored,
    title="Six heads carry the difference, and two push back",
    x="head",
    y="layer",
    label="share restored",
    signed=True,
    text=figures.named_heads(restored.abs(), 8),
)

# %% tags=["nbval-check-output"]
TOP = top_heads(restored, 6)
AGAINST = top_heads(-restored, 2)
print("restore:", sorted(head_name(head) for head in TOP))
print("against:", sorted(head_name(head) for head in AGAINST))

# %% [markdown]
# ### Test, on names that did not choose them
#
# Patch sets of heads *together*, on fresh names, and in another template. The control is six heads at random from
# the same layers. `z` is what a head computes before its output matrix: the values that its attention brought
# together, 64 numbers at each position.

# %%
from utils.circuits.patches import patched_heads


def outputs(tokens) -> dict[int, torch.Tensor]:
    """z of every layer."""
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=lambda n: n.endswith("hook_z"))
    return {layer: cache["z", layer] for layer in range(cfg.n_layers)}


class Pair:
    """A set of prompts and its corrupted twin, with all head outputs of both."""

    def __init__(self, prompts, corrupted):
        self.prompts, self.clean, self.corrupted = prompts, prompts.tokens, corrupted
        self.z = {"clean": outputs(self.clean), "corrupted": outputs(corrupted)}
        self.score = {"clean": score(prompts, self.clean), "corrupted": score(prompts, corrupted)}
        self.gap = (self.score["clean"] - self.score["corrupted"]).mean()  # one for all prompts

    def restores(self, heads) -> torch.Tensor:
        """Denoising, [batch]: the share restored by `heads`, clean into corrupted."""
        with patched_heads(model, heads, self.z["clean"]):
            return (score(self.prompts, self.corrupted) - self.score["corrupted"]) / self.gap

    def breaks(self, heads) -> torch.Tensor:
        """Noising, [batch]: the share lost by `heads`, corrupted into clean."""
        with patched_heads(model, heads, self.z["corrupted"]):
            return (self.score["clean"] - score(self.prompts, self.clean)) / self.gap


pairs = {
    "test": Pair(test, test.swapped().tokens),
    "reworded": Pair(reworded, reworded.swapped().tokens),
}
pick, draws = torch.Generator().manual_seed(2), {}
for i in range(3):
    draws[f"six others, draw {i}"] = [
        random_heads(1, layers=[layer], n_heads=cfg.n_heads, but=TOP + AGAINST, generator=pick)[0]
        for layer, _ in TOP
    ]
together = {}
for name, pair in pairs.items():
    for what, heads in ({"top six": TOP, "L20H0 and L23H3": [(20, 0), (23, 3)]} | draws).items():
        together[name, what] = pair.restores(heads).mean().item()
        print(f"{name}: {what} {together[name, what]:.2f}")

# %% [markdown]
# On fresh names the six restore **1.16** of the difference, in another template **1.19**. Six others of the same
# layers: less than `0.1`. More than 1 is no mistake: the two heads that push back still give their corrupted
# output.
#
# And two heads alone, L20H0 and L23H3, restore **0.98** and **1.16**: two of 270. That is what denoising finds,
# something *sufficient*. It is not the whole circuit: all that these two need from the others was put into them
# by the patch.
#
# ### Writing to the logits, or writing to others?
#
# Lesson 1.3 knew L23H3 as the **name remover** (it looks at S2 and pushes that name down) and L23H0 as a **name
# mover**. It did not know L20H0 and L17H4: they write next to nothing towards either name. So compare, for each
# head, what its patch does in total with what it does *directly*: the change of what it writes, read by lesson
# 1.3's direction.

# %%
from utils.circuits.attribution import head_attributions, logit_diff_direction, norm_scale

name = f"blocks.{cfg.n_layers - 1}.hook_resid_post"
with torch.no_grad():
    _, cache = model.run_with_cache(corrupted, names_filter=name)
    z_corrupted, z_clean = outputs(corrupted), outputs(clean)
    change = torch.stack([(z_clean[i] - z_corrupted[i])[:, -1] for i in range(cfg.n_layers)])
    direct = head_attributions(
        change,
        model.W_O,
        logit_diff_direction(model.W_U, model.ln_final.weight, choose.io, choose.s),
        norm_scale(cache[name][:, -1], cfg.eps),
    )
direct = (direct.mean(-1) / (clean_score - corrupted_score)).cpu()


def by_head(x: torch.Tensor, y: torch.Tensor) -> dict[str, tuple[float, float]]:
    """Two scores of every head, each [layer, head], as points for a scatter plot."""
    heads = [(layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
    return {head_name(head): (x[head].item(), y[head].item()) for head in heads}


plots.scatter(
    by_head(direct, restored),
    title="Two of the strongest heads write nothing to the logits: they work through others",
    x="direct effect of the patch (share of the difference)",
    y="total effect (share restored)",
    named=[head_name(head) for head in TOP + AGAINST],
    diagonal="all of the effect is direct",
)

# %% [markdown]
# L23H3, L29H1 and L23H0 lie near the line: they write the answer. L20H0 and L17H4 lie far above it. Directly they
# do **0.00**, and in total **0.21** and **0.19**. They must write *for other heads*. Attribution cannot see them,
# and section 7 finds out for whom they write.

# %% tags=["numbers"]
claim("attention 17 at S2", attention.restored[17, positions["S2"]], text=0.20, within=0.02)
claim("attention 20 at END", attention.restored[20, positions["END"]], text=0.21, within=0.02)
claim("attention 23 at END", attention.restored[23, positions["END"]], text=0.73, within=0.02)
claim("attention 24 at END", attention.restored[24, positions["END"]], text=-0.22, within=0.02)
claim("MLP 0 at S2", mlps.restored[0, positions["S2"]], text=1.00, within=0.02)
claim("MLP 0, the other way", patch_at(MLP_0, corrupted, tokens=clean), text=0.00, within=0.01)
claim("top six, test", together["test", "top six"], text=1.16, within=0.04)
claim("top six, reworded", together["reworded", "top six"], text=1.19, within=0.04)
assert max(abs(together[name, draw]) for name in pairs for draw in draws) < 0.1
claim("two heads, test", together["test", "L20H0 and L23H3"], text=0.98, within=0.04)
claim("two heads, reworded", together["reworded", "L20H0 and L23H3"], text=1.16, within=0.04)
for head in [(20, 0), (17, 4)]:
    claim(f"{head_name(head)}, directly", direct[head], text=0.00, within=0.01)
claim("L20H0 in total", restored[20, 0], text=0.21, within=0.02)
claim("L17H4 in total", restored[17, 4], text=0.19, within=0.02)
for head in [(23, 3), (29, 1), (23, 0)]:
    assert abs(direct[head] - restored[head]) < 0.06

# %% [markdown]
# ## 3. The other direction: noising
#
# So far: clean into corrupted, or **denoising**. It asks what is *enough* to bring the answer back. The other way
# round, corrupted into clean, is **noising**: what is *needed*, so that without it the answer is lost? Two words
# for the same thing?
#
# *Predict first:* a circuit has two switches, A and B, and an output. Clean: both are on. Corrupted: both off.
# The output is A **or** B. What does denoising A alone restore? What does noising A alone break? And if the
# output is A **and** B?
#
# They disagree completely. Where either switch is enough (**or**), denoising A restores all, and noising A breaks
# nothing. Where both are needed (**and**), denoising A restores nothing, and noising A breaks all. A single patch
# says nothing about such structure; *both directions* do.
#
# Here are both for all heads. The sweep's `.restored` is the share of the way from its unpatched run to its
# source. Here that is the way from clean to corrupted, so 1 means "as bad as the corrupted run": the share
# *broken*.

# %%
noise = sweep(model, clean, corrupted, metrics, what="z")
broken = noise["logit difference"].restored
plots.scatter(
    by_head(restored, broken),
    title="Both directions agree on most heads; look at those off the line",
    x="denoising: share restored",
    y="noising: share broken",
    named=[head_name(head) for head in TOP + AGAINST],
    diagonal="equal",
)


# %%
def correlation(x: torch.Tensor, y: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1].item()


agreement = correlation(restored, broken)
both = {
    head: torch.stack([pairs["test"].restores([head]), pairs["test"].breaks([head])]).cpu()
    for head in TOP + AGAINST
}  # head -> [way, batch]


def with_interval(values: torch.Tensor) -> str:
    """Mean, and two standard errors over prompts."""
    return f"{values.mean():+.2f} ± {2 * values.std() / len(values) ** 0.5:.2f}"


plots.table(
    [
        (head_name(head), *map(with_interval, ways), with_interval(ways[0] - ways[1]))
        for head, ways in both.items()
    ],
    columns=["head, on test", "restores", "breaks", "restores minus breaks"],
)

# %% [markdown]
# Over all 270 heads the two directions agree well: correlation **0.97**. But look at the table, on the eight test
# prompts. L17H4 restores **0.39** and breaks only **0.22**; the difference is far outside its interval. (On the
# four prompts of the figure it lies on the line. Four prompts are few.) L19H2 restores **0.17** and breaks
# **0.05**. By noising alone, you would have called L19H2 unimportant.
#
# More restored than broken is what *or* looks like. (A metric that saturates looks the same.) So somebody may be
# standing in. L17H4 is one of the three heads of layer 17 with a high induction score in lesson 1.1, with L17H3
# and L17H5. *Predict first:* noise those two alone; then all three together.

# %%
groups = {
    "L17H4": [(17, 4)],
    "L17H3": [(17, 3)],
    "L17H5": [(17, 5)],
    "all three": [(17, 3), (17, 4), (17, 5)],
    "L17H4, L17H0, L17H8 (control)": [(17, 4), (17, 0), (17, 8)],
}
backup = {
    (name, group): (pair.restores(heads).mean().item(), pair.breaks(heads).mean().item())
    for name, pair in pairs.items()
    for group, heads in groups.items()
}
singles = sum(backup["test", head][1] for head in ("L17H3", "L17H4", "L17H5"))
plots.table(
    [
        (group, *(f"{backup[name, group][way]:+.2f}" for name in pairs for way in (0, 1)))
        for group in groups
    ],
    columns=["", "test: restores", "test: breaks", "reworded: restores", "reworded: breaks"],
)

# %% [markdown]
# Alone, L17H3 and L17H5 do nothing, in either direction. With L17H4 they do: noising all three breaks **0.44**,
# where the three single effects sum to **0.24**. So they back L17H4 up, and a sweep of single noisings gives them
# 0. Two other heads of the layer, the control, add next to nothing. The reworded prompts show the same: **0.32**
# together.
#
# What this does not show: *how* they back up. They may wait until L17H4 fails, or always run along while
# something later saturates.
#
# **Which direction to use?** Denoising for "where is enough of it", noising for "what breaks without it", and
# both, with sets of heads, before you say that something plays no part.

# %% tags=["numbers"]
claim("agreement of the directions", agreement, text=0.97, within=0.02)
claim("L17H4 restores", both[17, 4][0].mean(), text=0.39, within=0.03)
claim("L17H4 breaks", both[17, 4][1].mean(), text=0.22, within=0.03)
claim("L19H2 restores", both[19, 2][0].mean(), text=0.17, within=0.03)
claim("L19H2 breaks", both[19, 2][1].mean(), text=0.05, within=0.02)
for head in [(17, 4), (19, 2)]:
    more = both[head][0] - both[head][1]
    assert more.mean() > 3 * more.std() / len(more) ** 0.5  # three standard errors
claim("all three break", backup["test", "all three"][1], text=0.44, within=0.03)
claim("sum of the three alone", singles, text=0.24, within=0.03)
claim("all three break, reworded", backup["reworded", "all three"][1], text=0.32, within=0.03)
for name in pairs:
    assert max(abs(each) for h in ("L17H3", "L17H5") for each in backup[name, h]) < 0.04
    bystanders = backup[name, "L17H4, L17H0, L17H8 (control)"][1]
    assert abs(bystanders - backup[name, "L17H4"][1]) < 0.05

# %% [markdown]
# ## 4. Choosing the corruption
#
# A patch can only show what *differs* between the two runs. So the corruption is the question. Here are four, all
# measured by noising on names that did not choose the heads, in logits. The head of each column says what changes
# at S2 or before: the name, the position that it points to, or both.
#
# *Predict first:* a head that carries "which name" and a head that carries "which position": which corruptions
# will each one notice?

# %%
small = ioi.prompts(model, 4, generator=torch.Generator().manual_seed(3), names=ioi.OTHER_NAMES)
exchanged = first_two_exchanged(small)
roles = exchanged.clone()
roles[:, small.positions["S2"]] = small.io
SWAP, THIRD = "S2 swapped: name and position", "a third name at S2: nobody comes twice"
ROLES, ORDER = "roles exchanged: names, not position", "order exchanged: position, same answer"
corruptions = {
    SWAP: small.swapped().tokens,
    THIRD: small.third_name().tokens,
    ROLES: roles,  # IO and S trade names everywhere: the other name is right
    ORDER: exchanged,  # the first two names trade places, and S2 stays
}
small_clean = score(small, small.tokens).mean().item()


def change_by(z, heads) -> float:
    """Noising: how far these heads, with outputs from `z`, move the small set's score (logits)."""
    with patched_heads(model, heads, z):
        return score(small, small.tokens).mean().item() - small_clean


z_of = {name: outputs(tokens) for name, tokens in corruptions.items()}
run_score = {name: score(small, tokens).mean().item() for name, tokens in corruptions.items()}
# The strongest of the sweeps, and one that full sweeps with the last two corruptions bring up (a
# minute each: try it).
LISTED = [(23, 3), (20, 0), (17, 4), (16, 0)]
effects = {(name, head): change_by(z, [head]) for name, z in z_of.items() for head in LISTED}
plots.table(
    [("the whole run: its score", *(f"{run_score[name]:+.1f}" for name in z_of))]
    + [(head_name(head), *(f"{effects[name, head]:+.1f}" for name in z_of)) for head in LISTED],
    columns=["change of the logit difference", *z_of],
)

# %% [markdown]
# Each corruption tells another story about the same heads.
#
# - **Roles exchanged** changes names and keeps positions. The name remover L23H3 notices (**-3.1** logits). L20H0
#   and L17H4 do not (**-0.2** and **0.0**).
# - **Order exchanged** changes positions and keeps the answer. L23H3 hardly notices (**-0.3**). L20H0 does:
#   patched from a run that has the *same right answer*, it breaks the answer (**-2.6**). It carries a position:
#   "the name to avoid is the one that came second". L17H4 as well (**-1.7**). That is the position of section 1.
# - **S2 swapped** changes both at once, and cannot tell the two kinds apart.
# - And L16H0, the previous-token head of lesson 1.1? Under the two corruptions at S2 it shows *nothing*; under the
#   other two it is as strong as any (**-3.2** both times, and that is one result, not two: up to S1 these two
#   corruptions are the same prompt). Before S2 the first two change nothing, so whatever works there is
#   invisible. **A corruption hides everything that happens before it.**
#
# *Causal tracing* (Meng and colleagues, 2022) corrupts with **noise** on the embeddings instead. It breaks the
# answer without saying anything definite, through activations that the model never makes. Zhang and Nanda (2023)
# compare, and advise exchanging tokens.
#
# So do not ask "which heads matter?". Ask "which heads carry *this* difference?", and choose the pair of prompts
# for it.

# %% tags=["numbers"]
claim("L23H3, roles", effects[ROLES, (23, 3)], text=-3.1, within=0.15)
claim("L20H0, roles", effects[ROLES, (20, 0)], text=-0.2, within=0.1)
claim("L17H4, roles", effects[ROLES, (17, 4)], text=0.0, within=0.1)
claim("L23H3, order", effects[ORDER, (23, 3)], text=-0.3, within=0.1)
claim("L20H0, order", effects[ORDER, (20, 0)], text=-2.6, within=0.15)
claim("L17H4, order", effects[ORDER, (17, 4)], text=-1.7, within=0.15)
claim("L16H0, order", effects[ORDER, (16, 0)], text=-3.2, within=0.15)
assert abs(effects[ROLES, (16, 0)] - effects[ORDER, (16, 0)]) < 0.2
assert max(abs(effects[name, (16, 0)]) for name in (SWAP, THIRD)) < 0.05
assert run_score[ORDER] > 2.5, "the exchanged order leaves the answer"

# %% [markdown]
# ## 5. Metrics, and their traps
#
# The sweeps of sections 2 and 3 also scored three other metrics. *Predict first:* the corrupted run gives IO a
# probability of about a five-hundredth. What will a patch that restores a fifth of the logit difference do to the
# *probability*?

# %%
names = ["logit difference", "logit of IO", "probability"]
plots.table(
    [
        (
            "score, clean and corrupted",
            *(f"{denoise[n].source:.2f}, {denoise[n].base:.3f}" for n in names),
        )
    ]
    + [
        (
            f"{head_name(head)} restores, breaks",
            *(f"{denoise[n].restored[head]:+.2f}, {noise[n].restored[head]:+.2f}" for n in names),
        )
        for head in [(23, 3), (20, 0), (24, 4)]
    ],
    columns=["", *names],
)

# %%
agree = {name: correlation(denoise[name].restored, noise[name].restored) for name in names}
print({name: round(value, 2) for name, value in agree.items()})

# %% tags=["numbers"]
probability = denoise["probability"].restored, noise["probability"].restored
claim("probability, L20H0 restores", probability[0][20, 0], text=0.02, within=0.02)
claim("probability, L20H0 breaks", probability[1][20, 0], text=0.48, within=0.05)
assert probability[0][24, 4] > -0.01 and probability[1][24, 4] < -0.2
claim("agreement by probability", agree["probability"], text=0.81, within=0.04)
claim("logit of IO, L20H0 restores", denoise["logit of IO"].restored[20, 0], text=0.00, within=0.03)
assert denoise["probability"].base < 0.004
assert denoise["accuracy"].restored.nonzero().tolist() == [[23, 3]]

# %% [markdown]
# **Probability saturates.** The corrupted run gives IO nearly none, and a patch that restores a fifth of the
# logits leaves it nearly there: denoising L20H0 restores **0.02** of the probability, and L24H4, which pushes
# back, does not show at all. Noising starts from a high probability: now L20H0 breaks **0.48**. The same head and
# the same two runs. By probability the two directions correlate **0.81** over heads, by logit difference
# **0.97**.
#
# **A single logit** counts what pushes both names. L20H0 restores **0.21** of the difference and **0.00** of IO's
# logit: on these prompts its work is to lower S. Which is right? Both are; they are different questions.
#
# **Accuracy** is worse still. Denoising any one head turns no prompt round, except for the strongest, L23H3. (The
# rank of the right name jumps in the same way.) So report a difference of logits, and look at one other metric to
# see what the difference hides: whatever raises both names.
#
# ### An answer of several tokens
#
# Most answers are not one token. This tokenizer splits numbers into digits, and puts the space before a number
# into a token of its own:

# %% tags=["nbval-check-output"]
TEXT = "The key opens room {}. Go to room"
print(model.to_str_tokens(TEXT.format(472) + " 472"))

# %% [markdown]
# What to measure? The model's probability of the *whole* answer: a product over its tokens, each given the prompt
# and the answer's tokens before it. In logs, a sum. Give the model prompt **and** answer in one go: that is
# *teacher forcing*. One pass then holds all the steps that generating would take one by one.
#
# ### Exercise 2 · the log-probability of an answer (15 minutes, medium)


# %% tags=["exercise:utils.circuits.patches.answer_log_prob"]
def answer_log_prob(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"], n_answer: int
) -> Float[Tensor, " batch"]:
    """Log-probability (nats) of the last `n_answer` tokens, given all that stands before each.

    Args:
        logits: of the model run on `tokens`.
        tokens: prompt and answer.
        n_answer: how many tokens the answer has.
    """
    ### BEGIN SOLUTION
    log_probs = logits[:, -n_answer - 1 : -1].log_softmax(-1)
    answer = tokens[:, -n_answer:, None].to(logits.device)
    return log_probs.gather(-1, answer)[..., 0].sum(-1)
    ### END SOLUTION


# %% tags=["check"]
answer_log_prob = lesson_14.check_answer_log_prob(answer_log_prob)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The answer's first token is predicted one position *before* it stands. Which `n_answer` positions predict the
# answer?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Take those positions' logits to log-probabilities with `log_softmax` (not softmax and then log: a small
# probability becomes 0). Then `gather` with the answer's tokens, as in lesson 1.1's loss.
#
# </details>

# %% [markdown]
# Now the task. Clean: `The key opens room 913. Go to room 913`. Corrupted: `The key opens room 781. Go to room
# 913`. *Both* end in the clean answer: it is the same answer that is scored in both runs. All three digits
# differ. (Of some fifteen sentences tried, this one is here because the model completes it every time.) The gate:
# does the model say the number, digit by digit, as its first choice?

# %%
draw = torch.Generator().manual_seed(0)


def numbers() -> tuple[str, str]:
    """Two numbers of three different digits, with another digit at each place."""
    while True:
        a, b = [(torch.randperm(9, generator=draw)[:3] + 1).tolist() for _ in range(2)]
        if all(x != y for x, y in zip(a, b, strict=True)):
            return "".join(map(str, a)), "".join(map(str, b))


drawn = [numbers() for _ in range(16)]
stated = {
    "clean": torch.cat([model.to_tokens(f"{TEXT.format(a)} {a}") for a, _ in drawn]),
    "corrupted": torch.cat([model.to_tokens(f"{TEXT.format(b)} {a}") for a, b in drawn]),
}
n_answer = 4  # the space and three digits
for name, tokens in stated.items():
    with torch.no_grad():
        logits = model(tokens)
    said = (logits[:, -n_answer - 1 : -1].argmax(-1) == tokens[:, -n_answer:]).all(1)
    log_prob = answer_log_prob(logits, tokens, n_answer)
    print(
        f"{name}: says the number in {said.float().mean():.0%}, log-probability {log_prob.mean():.2f}"
    )
    if name == "clean":
        said_clean = said.float().mean()

# %% [markdown]
# *Predict first:* which heads will a sweep find if you score only the first token of the answer? Only the first
# digit? The last digit?

# %%
number_clean, number_corrupted = stated["clean"][:4], stated["corrupted"][:4]
answers = number_clean[:, -n_answer:]


def of_token(i: int):
    """The log-probability of the answer's i-th token alone."""
    rows = torch.arange(len(answers), device=answers.device)
    return lambda logits: logits[:, i].log_softmax(-1)[rows, answers[:, i]]


number_metrics = {
    "whole answer": lambda logits: answer_log_prob(
        logits, number_clean[:, -n_answer - 1 :], n_answer
    ),
    "the space": of_token(0),
    "first digit": of_token(1),
    "second digit": of_token(2),
    "last digit": of_token(3),
}
n_pos = number_clean.shape[1]
number_sweep = sweep(
    model,
    number_corrupted,
    number_clean,
    number_metrics,
    what="z",
    positions=range(n_pos - n_answer - 1, n_pos),  # the metric gets the logits at these positions
)


plots.table(
    [
        (
            name,
            f"{found.source - found.base:+.2f}",
            ", ".join(
                f"{head_name(head)} {found.effect[head]:+.2f}"
                for head in top_heads(found.effect.abs(), 5)
            ),
        )
        for name, found in number_sweep.items()
    ],
    columns=["scored (nats)", "clean minus corrupted", "strongest heads"],
)

# %% [markdown]
# The sweep took four pairs of numbers. Do its heads hold on the twelve that it never saw? One row for each head,
# one column for each token of the answer.

# %%
fresh = {name: tokens[4:] for name, tokens in stated.items()}


def by_token(tokens) -> torch.Tensor:
    """Mean log-probability of each token of the clean answer, [4]."""
    with torch.no_grad():
        log_probs = model(tokens)[:, -n_answer - 1 : -1].log_softmax(-1)
    answer = fresh["clean"][:, -n_answer:, None].to(log_probs.device)
    return log_probs.gather(-1, answer)[..., 0].mean(0)


fresh_z, fresh_base = outputs(fresh["clean"]), by_token(fresh["corrupted"])
fresh_effect = {"clean minus corrupted": by_token(fresh["clean"]) - fresh_base}
for head in [(23, 0), (18, 6), (18, 7), (16, 0)]:
    with patched_heads(model, [head], fresh_z):
        fresh_effect[head_name(head)] = by_token(fresh["corrupted"]) - fresh_base
plots.table(
    [(name, *(f"{nats:+.2f}" for nats in effect)) for name, effect in fresh_effect.items()],
    columns=["twelve fresh pairs (nats)", *list(number_metrics)[1:]],
)

# %% [markdown]
# - **The first token** of the answer is a space. Both runs predict it equally well, so it finds nothing, whatever
#   the model does. Always look at what your "first token" is.
# - **The first digit** is brought mostly by L23H0, the name mover of the IOI task: on fresh numbers **2.3** nats of
#   **3.0**. It moves digits too.
# - **The last digit** is brought mostly by L18H6 and L18H7 (**1.9** and **1.0** nats of **2.9**): two induction
#   heads of lesson 1.1. Once the first digit stands there, the rest is a repeat. Score the first digit only, and
#   L18H7 does not come up at all.
# - **The whole answer** finds both kinds.
#
# And L16H0 *harms*: nothing on the first digit, **-1.35** on the second. It tells the induction heads which digit
# came before which. The patch gives its clean message about *where* to look, while the digits themselves are
# still the corrupted ones: half of a mechanism from one run, half from the other. (That is a reading; question 4
# asks for its test.) A patch that harms is not always a head that works against.
#
# **The answer comes after many forward passes: where do I patch?** With teacher forcing there is one pass, and a
# patch "at all positions" acts in every step of it. If the two runs generate *different* texts (a chain of
# thought), their positions no longer match. Then patch only the part that both share, and score a fixed
# continuation, or let the model go on and score what it ends with (lesson 5.2).

# %% tags=["numbers"]
assert said_clean > 0.9
space, first_digit = number_sweep["the space"], number_sweep["first digit"]
whole = number_sweep["whole answer"]
assert abs(space.source - space.base) < 0.05 and space.effect.abs().max() < 0.05
gaps = fresh_effect["clean minus corrupted"]
claim("first digit, nats", gaps[1], text=3.0, within=0.1)
claim("first digit, L23H0", fresh_effect["L23H0"][1], text=2.3, within=0.1)
claim("last digit, nats", gaps[3], text=2.9, within=0.1)
claim("last digit, L18H6", fresh_effect["L18H6"][3], text=1.9, within=0.1)
claim("last digit, L18H7", fresh_effect["L18H7"][3], text=1.0, within=0.1)
claim("second digit, L16H0", fresh_effect["L16H0"][2], text=-1.35, within=0.1)
assert abs(fresh_effect["L16H0"][1]) < 0.1
assert (18, 7) not in top_heads(first_digit.effect, 10)
assert {(23, 0), (18, 6)} <= set(top_heads(whole.effect, 3))

# %% [markdown]
# ## 6. Grouped queries: one key-value head, three query heads
#
# This model has 9 query heads in a layer, and only 3 heads of keys and values: three queries share one, always
# neighbours. (*Grouped-query attention* keeps the cache of keys and values small.) So what can be patched depends
# on the place:

# %% tags=["nbval-check-output"]
KINDS = ("q", "k", "v", "z")
with torch.no_grad():
    _, cache = model.run_with_cache(
        clean, names_filter=[f"blocks.23.attn.hook_{kind}" for kind in KINDS]
    )
for kind in KINDS:
    print(kind, list(cache[f"blocks.23.attn.hook_{kind}"].shape))
size = cfg.n_heads // cfg.n_key_value_heads
groups_of = {kv: list(range(kv * size, (kv + 1) * size)) for kv in range(cfg.n_key_value_heads)}
print("key-value head: its query heads", groups_of)

# %% [markdown]
# Now sweep over values: three cells a layer. *Predict first:* the name remover L23H3 looks at S2 in both runs.
# Which key-value head will light up?

# %%
values = sweep(model, corrupted, clean, choose.logit_diff, what="v").restored
for layer, kv in top_heads(values.abs(), 3):
    print(
        f"value of layer {layer}, key-value head {kv}: {values[layer, kv]:+.2f}; z of its query heads",
        {head_name((layer, h)): round(restored[layer, h].item(), 2) for h in groups_of[kv]},
    )

# %% [markdown]
# By hand, once: patch that one value head, and see which heads of the layer notice.

# %%
LAYER, KV = 23, 1
clean_v = cache["v", LAYER]


def patch_v(v, hook):
    v = v.clone()
    v[:, :, KV] = clean_v[:, :, KV]
    return v


with model.hooks(fwd_hooks=[(f"blocks.{LAYER}.attn.hook_v", patch_v)]):
    patched_z = outputs(corrupted)[LAYER]
changed = (patched_z - z_corrupted[LAYER]).abs().amax((0, 1, 3)) > 0
print("z changed in heads", changed.nonzero().flatten().tolist(), "of layer", LAYER)

# %% [markdown]
# One value head in, three query heads changed. The patch restores **0.46**, and of the three only L23H3 matters:
# its whole output restores **0.56**, the other two nothing. To name a head you need the sweep over z; a cell of k
# or v is always a *group*. And to patch "the value of L23H3" alone there is no place: copy the value head three
# times, or patch z.

# %% tags=["numbers"]
claim("values of layer 23, key-value head 1", values[23, 1], text=0.46, within=0.03)
claim("z of L23H3", restored[23, 3], text=0.56, within=0.02)
assert max(abs(restored[23, h]) for h in (4, 5)) < 0.04
assert changed.nonzero().flatten().tolist() == groups_of[KV]

# %% [markdown]
# ## 7. Path patching: who feeds whom?
#
# L20H0 restores a good part and writes nothing to the logits. So it must write *for* somebody. A natural guess:
# the name mover L23H0 has to know where to look, and its **query** at END decides that. Does L20H0 tell it?
#
# Patching L20H0 answers a broader question: everybody downstream hears it. To test one **path**, let a single
# *receiver* read the change. The residual stream is a sum of what was written; the receiver's query reads that
# sum. So exchange one term, for that reader only: take off what L20H0 wrote, and add what it writes in the clean
# run.
#
# ### Exercise 3 · one reader, one writer (15 minutes, medium)


# %% tags=["exercise:utils.circuits.patches.add_along_path"]
def add_along_path(
    inputs: Float[Tensor, "batch pos head d_model"],
    *,
    receiver: int,
    own: Float[Tensor, "batch pos d_head"],
    source: Float[Tensor, "batch pos d_head"],
    W_O: Float[Tensor, "d_head d_model"],
) -> Float[Tensor, "batch pos head d_model"]:
    """A copy of the heads' inputs in which one head reads what a sender writes in another run.

    Source: path patching of Wang et al., 2022 (arXiv 2211.00593).

    Args:
        inputs: what each head of the receiver's layer reads, such as `hook_q_input`.
        receiver: the head that reads something else.
        own, source: the sender's `z` in this run and in the source run.
        W_O: the sender's output matrix.
    """
    ### BEGIN SOLUTION
    inputs = inputs.clone()
    inputs[:, :, receiver] += (source - own) @ W_O
    return inputs
    ### END SOLUTION


# %% tags=["check"]
add_along_path = lesson_14.check_add_along_path(add_along_path)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A head writes `z @ W_O` into the stream. How do the sender's two writes differ?
#
# </details>
# <details><summary>Hint 2</summary>
#
# The difference of the two, [batch, pos, d_model], is *added* to `inputs[:, :, receiver]`, on a copy. All other
# terms of the sum stay.
#
# </details>

# %% [markdown]
# TransformerLens gives each head a copy of its input to change, if asked: `hook_q_input` (and `hook_k_input`,
# `hook_v_input`). It costs memory, so it is off by default. We also look at where the mover and the remover
# attend from END. *Predict first:* the one path, and nothing else: will the mover look at IO again?

# %%
(sender_layer, sender), (layer, receiver) = (20, 0), (23, 0)


def along_the_path(inputs, hook):
    return add_along_path(
        inputs,
        receiver=receiver,
        own=z_corrupted[sender_layer][:, :, sender],
        source=z_clean[sender_layer][:, :, sender],
        W_O=model.W_O[sender_layer, sender],
    )


def looks(tokens) -> dict[str, float]:
    """The share restored, and where the mover and the remover look from END."""
    kept = {}
    hook = (f"blocks.{layer}.attn.hook_pattern", lambda own, hook: kept.update(own=own.clone()))
    with model.hooks(fwd_hooks=[hook]):
        result = {"share restored": share(score(choose, tokens).mean())}
    for who, head, labels in [("mover", 0, ("IO", "S1")), ("remover", 3, ("S2",))]:
        for label in labels:
            attention_to = kept["own"][:, head, positions["END"], positions[label]]
            result[f"{who} to {label}"] = attention_to.mean().item()
    return result


look = {"clean run": looks(clean), "corrupted run": looks(corrupted)}
with patched_heads(model, [(sender_layer, sender)], z_clean):
    look["L20H0 patched, for all to hear"] = looks(corrupted)
model.set_use_split_qkv_input(True)
with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_q_input", along_the_path)]):
    look["L20H0 to the mover's query alone"] = looks(corrupted)
model.set_use_split_qkv_input(False)
plots.table(
    [(name, *(f"{each:.2f}" for each in row.values())) for name, row in look.items()],
    columns=["", *look["clean run"]],
)

# %% [markdown]
# In the clean run the mover looks at IO (**0.50**), in the corrupted run at S1 (**0.61**). The one path turns it
# round completely: **0.50** to IO and **0.13** to S1. And the remover looks at S2 in every run, at least **0.63**.
# Nobody has to tell it where.
#
# Is L20H0 special as a sender? Here are all senders into the mover's query, into the remover's, and, one link
# further back, into the values that L20H0 reads (key-value head 0 of layer 20). The control is the other rows of
# the list: the senders that come next.

# %%
receivers = {
    "query of L23H0 (mover)": ([(23, 0)], "q"),
    "query of L23H3 (remover)": ([(23, 3)], "q"),
    "values of L20H0": ([(20, 0)], "v"),
}
paths = {
    name: path_sweep(
        model, corrupted, clean, choose.logit_diff, receivers=heads, into=into, progress=False
    ).restored
    for name, (heads, into) in receivers.items()
}
mover, remover = paths["query of L23H0 (mover)"], paths["query of L23H3 (remover)"]
third_sender = mover.abs().flatten().topk(3).values[2]
plots.table(
    [
        (name, ", ".join(f"{head_name(h)} {found[h]:+.3f}" for h in top_heads(found.abs(), 4)))
        for name, found in paths.items()
    ],
    columns=["into the", "strongest senders (share restored)"],
)

# %% [markdown]
# L20H0 tells the **mover** where to look: this one path restores **0.13**, of the **0.21** that L20H0 restores in
# all; L19H2 helps (**0.06**), and the next sender has **0.02**. Into the **remover**'s query no head sends more
# than **0.01**. One layer further back: what L20H0 reads at S2 was put there by L17H4 (**0.08**).
#
# ### The last link
#
# L17H4 is an induction head. In lesson 1.1 such a head found its place by its *keys*, into which a previous-token
# head had written. The S2 corruptions could not show that (section 4); the exchanged order can. So this link is
# measured otherwise than the others: *noising*, from the run with the first two names exchanged, one path, from
# L16H0 to the keys of layer 17. Key-value head 1 there serves L17H3, L17H4 and L17H5. Which of them acts on the
# message? Hold the outputs of some of them as in the clean run. *Predict first:* how much of L16H0's **-3.2**
# logits goes along this one path?

# %%
small_z, small_source = outputs(small.tokens), z_of[ORDER]


def link(kv: int, held=()) -> float:
    """What the path from L16H0 to one key-value head of layer 17 does (logits)."""

    def into_keys(inputs, hook):
        own, source = small_z[16][:, :, 0], small_source[16][:, :, 0]
        return add_along_path(inputs, receiver=kv, own=own, source=source, W_O=model.W_O[16, 0])

    with model.hooks(fwd_hooks=[("blocks.17.hook_k_input", into_keys)]):
        return change_by(small_z, held)


model.set_use_split_qkv_input(True)
links = {f"into key-value head {kv}": link(kv) for kv in range(cfg.n_key_value_heads)}
links |= {
    "into 1, L17H4 held": link(1, [(17, 4)]),
    "into 1, L17H3 and L17H5 held": link(1, [(17, 3), (17, 5)]),
}
model.set_use_split_qkv_input(False)
print({name: round(change, 2) for name, change in links.items()})

# %% [markdown]
# **-2.7** logits, nearly all of it; along the keys of the other two groups, nothing. Hold L17H4, and **0.08** is
# left; hold the two others, and it is still **-2.2**. So the message goes to L17H4, and the chain is
#
# > L16H0 (previous token) → keys of L17H4 (induction) → values of L20H0 → query of L23H0 (name mover)
#
# That is the chain which Wang and colleagues found in GPT-2 small: previous-token heads, induction heads,
# *S-inhibition heads*, name movers. There, too, S-inhibition heads carry mostly a position. But here it is only
# half of the story: the name remover L23H3 does as much alone, and asks nobody. And mind how the chain was made:
# three links by denoising with S2 swapped, the first one by noising with the order exchanged.
#
# What this does not show: path patching here follows *direct* paths. What goes through an MLP or a head on the
# way is left out (Wang and colleagues let MLPs pass it on). L20H0's other effects are not followed up.

# %% tags=["numbers"]
alone = look["L20H0 to the mover's query alone"]
claim("clean, mover to IO", look["clean run"]["mover to IO"], text=0.50, within=0.02)
claim("corrupted, mover to S1", look["corrupted run"]["mover to S1"], text=0.61, within=0.02)
claim("one path, mover to IO", alone["mover to IO"], text=0.50, within=0.02)
claim("one path, mover to S1", alone["mover to S1"], text=0.13, within=0.02)
claim("remover to S2", min(row["remover to S2"] for row in look.values()), text=0.63, within=0.02)
assert abs(mover[20, 0] - alone["share restored"]) < 1e-3, "by hand and by path_sweep"
claim("L20H0 to the mover's query", mover[20, 0], text=0.13, within=0.02)
claim("L19H2 to the mover's query", mover[19, 2], text=0.06, within=0.02)
claim("the next sender", third_sender, text=0.02, within=0.01)
claim("strongest into the remover's query", remover.abs().max(), text=0.01, within=0.005)
claim("L17H4 to L20H0's values", paths["values of L20H0"][17, 4], text=0.08, within=0.02)
claim("L16H0 to the keys of L17H4", links["into key-value head 1"], text=-2.7, within=0.15)
assert max(abs(links[f"into key-value head {kv}"]) for kv in (0, 2)) < 0.05
claim("L17H4 held", links["into 1, L17H4 held"], text=0.08, within=0.05)
claim("the others held", links["into 1, L17H3 and L17H5 held"], text=-2.2, within=0.15)

# %% [markdown]
# ## 8. Attribution patching: all patches from one gradient
#
# A sweep over 270 heads takes 270 runs, or as much work. For small changes there is a shortcut. The gradient of
# the metric with respect to a head's output says how much the metric moves for a small step in each direction.
# The patch is a step from the run's own output to the source's. So
#
# `effect ≈ gradient · (source - own)`
#
# and one backward pass gives the gradients of *all* heads. Two forward passes and one backward, for everything:
# this is **attribution patching** (Nanda, 2023). It is exact if the metric is linear in the head's output.
#
# ### Exercise 4 · the estimate (10 minutes, medium)


# %% tags=["exercise:utils.circuits.patches.attribution_scores"]
def attribution_scores(
    gradient: Float[Tensor, "batch pos head d_head"],
    own: Float[Tensor, "batch pos head d_head"],
    source: Float[Tensor, "batch pos head d_head"],
) -> Float[Tensor, " head"]:
    """How much each head's patch would move the metric if it were linear in the head's output.

    Source: attribution patching, as in Syed et al., 2023 (arXiv 2310.10348).

    Args:
        gradient: of the metric (a mean over prompts) with respect to `own`.
        own, source: the heads' outputs in the run that is patched, and in the one that is patched
            in.
    """
    ### BEGIN SOLUTION
    return (gradient * (source - own)).sum((0, 1, 3))
    ### END SOLUTION


# %% tags=["check"]
attribution_scores = lesson_14.check_attribution_scores(attribution_scores)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A dot product: multiply coordinate by coordinate, then sum. A head is patched in all prompts and at all
# positions at once.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Sum over batch, positions and d_head, and keep the heads. The division by the number of prompts is in the
# gradient already.
#
# </details>

# %%
from utils.circuits.patches import attribution

runs = {"denoising": (corrupted, clean), "noising": (clean, corrupted)}
exact = {"denoising": restored, "noising": broken}
gap = (clean_score - corrupted_score).item()
estimate, fit, fit_of_strong = {}, {}, {}
for name, (tokens, source) in runs.items():
    way = 1 if name == "denoising" else -1
    estimate[name] = way * attribution(model, tokens, source, choose.logit_diff).cpu() / gap
    strong = exact[name].flatten().abs().topk(20).indices
    fit[name] = correlation(estimate[name], exact[name])
    fit_of_strong[name] = correlation(
        estimate[name].flatten()[strong], exact[name].flatten()[strong]
    )
    print(f"{name}: correlation {fit[name]:.2f}, on the 20 strongest {fit_of_strong[name]:.2f}")

plots.scatter(
    by_head(estimate["noising"], broken),
    title="Noising: the estimate misses L20H0 and L17H4 entirely",
    x="attribution patching: share broken",
    y="exact sweep: share broken",
    named=[head_name(head) for head in TOP + AGAINST],
    diagonal="exact",
)

# %% [markdown]
# For denoising the estimate is good: correlation **0.98**, from two runs forward and one back. For noising,
# **0.85**, and look who is wrong. L20H0 breaks **0.31**, and the estimate says **-0.01**: *nothing*. L17H4 even
# gets the wrong sign (**-0.09** for **0.19**), and L23H3 is too small. The correlation does not warn you: even on
# the 20 strongest heads it is **0.87**, while two of them are lost.
#
# Why? A first guess: their readers' softmax is saturated, so that small steps do nothing. That needs a test.
# Walk L20H0's output from clean to corrupted in small steps, and watch. Then patch it whole while
# the attention patterns of *one later layer* are held as they were.

# %%
steps = torch.linspace(0, 1, 9).tolist()
with torch.no_grad():
    _, patterns = model.run_with_cache(clean, names_filter=lambda n: n.endswith("hook_pattern"))


def l20h0_breaks(step: float, hooks=()) -> float:
    """The share broken when L20H0's output goes `step` of the way from clean to corrupted."""
    mixed = {20: torch.lerp(z_clean[20], z_corrupted[20], step)}
    with patched_heads(model, [(20, 0)], mixed), model.hooks(fwd_hooks=list(hooks)):
        return 1 - share(score(choose, clean).mean())


curve = [l20h0_breaks(step) for step in steps]
held = {}
for layer in (21, 22, 23, 24, 25):
    hold = (f"blocks.{layer}.attn.hook_pattern", lambda own, hook: patterns[hook.name])
    held[layer] = l20h0_breaks(1.0, [hold])
print({f"layer {layer} held": round(each, 2) for layer, each in held.items()})
slope = estimate["noising"][20, 0].item()
plots.lines(
    {"L20H0": curve, "estimated from the gradient at 0": [step * slope for step in steps]},
    at=steps,
    title="At the start L20H0's curve is flat, and the gradient sees nothing else",
    x="how much of the corrupted output is mixed in",
    y="share broken",
)

# %% [markdown]
# L20H0's curve is flat first, and bends later. Hold layer 23, where the movers look, and the patch does nothing
# (**0.01**): all of it goes through their attention, and attention is not linear. But hold layer 24 instead, and
# the damage nearly doubles, to **0.58**: something there makes up for part of it. Question 3 asks what.
#
# A gradient sees the slope where you stand. Bent attention and effects that cancel are the two known ways to get
# false zeros (Kramár and colleagues, 2024). One remedy is to average the gradient along the way.
#
# Earlier in the model it gets worse. The residual stream at S2:

# %%
stream_estimate = (
    attribution(model, corrupted, clean, choose.logit_diff, what="resid_pre").cpu() / gap
)
stream_fit, at_S2 = correlation(stream_estimate, stream.restored), positions["S2"]
print(f"correlation over the stream, all positions: {stream_fit:.2f}")
plots.lines(
    {
        "exact": stream.restored[:, at_S2].tolist(),
        "attribution patching": stream_estimate[:, at_S2].tolist(),
    },
    title="The residual stream at S2: the estimate is blind wherever the patch matters",
    x="entering layer",
    y="share restored",
)

# %% [markdown]
# At S2 entering layer 0 the patch *is* the clean prompt: exact share 1. The estimate: **-0.06**. Entering layers
# `0` to `23` it never exceeds **0.16**, while the truth always exceeds half. Between one name's embedding and
# another's lies a long way through vectors that are no names, and the slope at one end says nothing about the
# other. Over the whole stream the correlation is **0.47**.
#
# Rule of thumb: use it on heads, to choose whom to test; then test those with real patches. A 0 from attribution
# patching is not a 0.
#
# TransformerLens has attribution patching, by position and for one prompt at a time: `attribution_patch`. Summed
# over positions it gives the same numbers.

# %%
from transformer_lens.tools.analysis.attribution_patching import attribution_patch

one = slice(0, 1)  # one prompt


def first_diff(logits: torch.Tensor) -> torch.Tensor:
    return logits[0, -1, choose.io[0]] - logits[0, -1, choose.s[0]]


library = torch.zeros_like(restored)
nodes = attribution_patch(model, clean[one], corrupted[one], first_diff).node_scores
for node, value in nodes.items():
    if node.kind == "attn_head_out":
        library[node.layer, node.head] += value
ours = attribution(model, corrupted[one], clean[one], lambda x: first_diff(x)[None]).cpu()
library_difference = (library - ours).abs().max()
print(f"largest difference from the library's {library_difference:.1e}")

# %% tags=["numbers"]
claim("fit, denoising", fit["denoising"], text=0.98, within=0.02)
claim("fit, noising", fit["noising"], text=0.85, within=0.04)
claim("fit, noising, 20 strongest", fit_of_strong["noising"], text=0.87, within=0.04)
claim("L20H0 breaks", broken[20, 0], text=0.31, within=0.03)
claim("L20H0 breaks, estimate", slope, text=-0.01, within=0.03)
claim("L17H4 breaks", broken[17, 4], text=0.19, within=0.03)
claim("L17H4 breaks, estimate", estimate["noising"][17, 4], text=-0.09, within=0.03)
assert {(20, 0), (17, 4)} <= set(top_heads(broken.abs(), 20))
assert estimate["noising"][23, 3] < 0.7 * broken[23, 3]
claim("L20H0 breaks, layer 23 held", held[23], text=0.01, within=0.02)
claim("L20H0 breaks, layer 24 held", held[24], text=0.58, within=0.04)
for layer in (21, 22, 25):
    assert abs(held[layer] - broken[20, 0]) < 0.05
assert curve[2] < 0.1 * curve[-1], "flat at the start"
claim("stream at S2, layer 0, estimate", stream_estimate[0, at_S2], text=-0.06, within=0.04)
claim("largest estimate at S2", stream_estimate[:24, at_S2].max(), text=0.16, within=0.04)
assert stream.restored[:24, at_S2].min() > 0.5
claim("fit over the stream", stream_fit, text=0.47, within=0.06)
assert library_difference < 1e-3

# %% [markdown]
# ## 9. Gradients through a patch, and three ways to lose them
#
# Often you want more than the effect of a given patch. Say you want the vector that would help *most* at this
# place. Then the metric must be differentiated with respect to *what was patched in*. The graph has to run from
# the vector, through the patch, to the metric.
#
# ### Exercise 5 · the gradient of a patch (15 minutes, medium)


# %% tags=["exercise:utils.circuits.patches.patch_gradient"]
def patch_gradient(
    rest: Callable[[Float[Tensor, "batch pos d_model"]], Tensor],
    activation: Float[Tensor, "batch pos d_model"],
    vector: Float[Tensor, " d_model"],
    pos: int,
) -> Float[Tensor, " d_model"]:
    """The gradient of a score with respect to a vector that is patched in at `pos`.

    Args:
        rest: the rest of the model and a metric: takes the patched activation, returns a scalar.
        activation: the run's own. Leave it as it is.
        vector: stands at `pos` in every row of the patched activation. Leave it as it is.
    """
    ### BEGIN SOLUTION
    vector = vector.detach().clone().requires_grad_()
    patched = activation.detach().clone()
    patched[:, pos] = vector
    return torch.autograd.grad(rest(patched), vector)[0]
    ### END SOLUTION


# %% tags=["check"]
patch_gradient = lesson_14.check_patch_gradient(patch_gradient)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Make a copy of the vector that asks for gradients: `vector.detach().clone().requires_grad_()`. Cut off *before*
# the patch, never after it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Write it into a copy of the activation, score that, and call `torch.autograd.grad(score, vector)`, which returns
# a tuple.
#
# </details>

# %% [markdown]
# On the model: the clean run's vector at END entering layer 21, put into the corrupted run. `rest` is the rest of
# the model. Then a test that every gradient deserves: take a small step along it, and see whether the metric
# moves as promised.

# %%
name, end = "blocks.21.hook_resid_pre", positions["END"]
with torch.no_grad():
    _, cache = model.run_with_cache(corrupted[one], names_filter=name)
    activation = cache[name]
    _, cache = model.run_with_cache(clean[one], names_filter=name)
    vector = cache[name][0, end]


def rest(patched: torch.Tensor) -> torch.Tensor:
    """The model from layer 21 on: whatever it had there, it goes on with `patched`."""
    with model.hooks(fwd_hooks=[(name, lambda own, hook: patched)]):
        return first_diff(model(corrupted[one]))


gradient = patch_gradient(rest, activation, vector, end)
step = 0.005 * vector.norm() * gradient / gradient.norm()
with torch.no_grad():
    up, down = [
        rest(patch_position(activation, (vector + way * step).expand_as(activation), end))
        for way in (1, -1)
    ]
promised, moved = 2 * (gradient @ step).item(), (up - down).item()
print(f"promised {promised:.3f}, moved {moved:.3f}")

# %% [markdown]
# Now three ways to lose it. The weights of a loaded model ask for gradients, so `backward()` mostly runs without
# complaint. It just does not reach *your* vector.


# %%
def gradient_reaches(patch) -> str:
    """Patches with `patch(activation, vector)`; says what became of the gradient."""
    asks = vector.clone().requires_grad_()
    try:
        rest(patch(activation, asks)).backward()
    except RuntimeError as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
    finally:
        model.zero_grad()
    if asks.grad is None:
        return "None, and no complaint"
    return f"arrives, length {asks.grad.norm():.3f}"


def on_a_copy(own, vector):
    patched = own.clone()
    patched[:, end] = vector
    return patched


def detached(own, vector):  # so do .data, .item(), .tolist() and numpy: a copy with no history
    return on_a_copy(own, vector.detach())


def under_no_grad(own, vector):  # a habit from caching, and a decorator above a hook
    with torch.no_grad():
        return on_a_copy(own, vector)


def into_a_leaf(own, vector):  # a leaf: a tensor that itself asks for gradients
    leaf = own.detach().clone().requires_grad_()
    leaf[:, end] = vector
    return leaf


found = {
    "on a copy": gradient_reaches(on_a_copy),
    "1. .detach()": gradient_reaches(detached),
    "2. torch.no_grad()": gradient_reaches(under_no_grad),
    "3. in place, into a leaf": gradient_reaches(into_a_leaf),
}
plots.table(list(found.items()), columns=["how the vector is patched in", "its gradient"])

# %% [markdown]
# The third is the friendly one: an error. The first two lose the gradient *in silence*. The same holds for what
# was *cached* under `torch.no_grad()`: gradients can flow to a patched vector, but never into the run that it was
# cached from. So assert that the gradient is there, and is not all zeros, before you use it.

# %% tags=["numbers"]
assert abs(moved / promised - 1) < 0.1, "the gradient keeps its promise"
assert found["on a copy"].startswith("arrives")
assert found["1. .detach()"] == found["2. torch.no_grad()"] == "None, and no complaint"
assert "leaf Variable" in found["3. in place, into a leaf"]

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "L20H0 and L23H3 restore together (test)",
            f"{together['test', 'L20H0 and L23H3']:.2f}",
            f"{max(together['test', draw] for draw in draws):.2f} six others, at most",
            "26 heads make up the circuit",
        ),
        (
            "END, entering layer 21: a position, from other names",
            f"{control[right_position, 21, 'END']:.2f}",
            f"{control[wrong_position, 21, 'END']:.2f} with the other position",
            "",
        ),
        (
            "L20H0, order exchanged (logits)",
            f"{effects[ORDER, (20, 0)]:+.1f}",
            f"{effects[ROLES, (20, 0)]:+.1f} roles exchanged",
            "S-inhibition heads: position more than name",
        ),
        (
            "three heads of layer 17 break together",
            f"{backup['test', 'all three'][1]:.2f}",
            f"{singles:.2f} sum of each alone",
            "backup name movers",
        ),
        (
            "L20H0 to the query of L23H0",
            f"{mover[20, 0]:.2f}",
            f"{third_sender:.2f} third sender",
            "S-inhibition to name movers",
        ),
        (
            "L16H0 to the keys of L17H4 (logits)",
            f"{links['into key-value head 1']:+.1f}",
            f"{links['into key-value head 0']:+.1f} other keys",
            "previous-token to induction heads",
        ),
    ],
    columns=[
        "",
        "SmolLM2-135M-Instruct",
        "control",
        "GPT-2 small (from papers, not measured here)",
    ],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. On our scale "no opinion" is well above 0. Which corruption would put it at 0? What would you lose?
# 2. **Does localisation say where to edit?** Not by itself. Hase and colleagues (2023) found that where causal
#    tracing points has hardly any bearing on which layer is best to *edit*. What does patching measure, and what
#    does an edit need?
# 3. With layer 24's attention held, noising L20H0 breaks nearly twice as much. Which head of that layer could make
#    up for the damage, and how would you find out? (Lesson 1.3 called this self-repair.)
# 4. L16H0's clean output harms the number. Which second patch, together with it, should turn the harm into help?
#
# ## Common mistakes
#
# - Patching in the wrong direction: say which run is patched, and which one gives.
# - Reading a share as "how much the head knows": a run that has lost its opinion scores above 0 as well.
# - Different numbers of tokens in the two prompts. Then positions do not match, and the patch compares nonsense.
# - Scoring the first token of an answer whose first token is a space, or the same in both runs.
# - A hook that keeps its activation without a copy. A later hook that writes in place changes what was "kept
#   before the patch", and you compare a thing with itself. `own.clone()`, as in exercise 1.
# - A single direction, a single corruption, a single metric, and then the word *the*.
#
# ## Where this breaks
#
# One template chose the heads and one more tested them, always with IO named first. The corruption table rests on
# four prompts, and the sweeps on four others. Each patched run mixes two runs, and may be in a state that no
# prompt gives. Activations are patched whole; nothing here says which *direction* in L20H0's output is the
# position.
#
# ## Further reading
#
# - Heimersheim and Nanda (2024), *How to use and interpret activation patching*, arXiv 2404.15255
# - Zhang and Nanda (2023), *Towards best practices of activation patching*, arXiv 2309.16042
# - Wang et al. (2022), *Interpretability in the wild*, arXiv 2211.00593
# - Meng et al. (2022), *Locating and editing factual associations in GPT*, arXiv 2202.05262
# - Hase et al. (2023), *Does localization inform editing?*, arXiv 2301.04213
# - Syed et al. (2023), *Attribution patching outperforms automated circuit discovery*, arXiv 2310.10348
# - Kramár et al. (2024), *AtP\**, arXiv 2403.00745
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.3 · Who moves the name](13_direct_logit_attribution.ipynb) | **Next:** [1.5 · Finding circuits automatically](15_circuit_discovery.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/13_direct_logit_attribution.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/15_circuit_discovery.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("14")
