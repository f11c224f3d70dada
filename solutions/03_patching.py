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
# # 03 · Activation, path and attribution patching
#
# [![Open lesson 03 in Colab]()]()
#
# By the end of this lesson you will be able to
#
# 1. put an activation of one run into another, anywhere in the model, and say what the result shows;
# 2. choose direction, corruption and metric, knowing what each of them hides, also when the answer is several
#    tokens;
# 3. follow a path from a head back to those that feed it, and estimate a whole sweep from one gradient, knowing
#    where the estimate fails.
#
# **Time** two and a half hours. **Needs** lessons 00 to 02: hooks, the cache, mean ablation, the logit difference.
# **Runs** in about three minutes on a laptop's processor.

# %% tags=["setup"]

# %%
import torch

from utils import ioi, plots, progress
from utils.checks import claim, lesson_03
from utils.heads import head_name, random_heads, top_heads
from utils.models import load

model = load()
cfg = model.cfg

# %% [markdown]
# ## 1. Two runs, one activation
#
# Lesson 02 read what each head *wrote*, and took heads away. Patching asks a sharper question. Take two prompts
# that differ in one thing:
#
# - **clean**: `When Paul and John went to the garden, John gave a drink to` — goes on with ` Paul`
# - **corrupted**: `When Paul and John went to the garden, Paul gave a drink to` — goes on with ` John`
#
# Run the model on the corrupted prompt, and at *one* place put in the activation of the clean run. If the answer
# flips back, that place carries the difference. Nothing is removed, and nothing is set to zero: the model sees
# only activations that it made itself.
#
# First the gate, on both runs. The metric is lesson 02's: logit(IO) - logit(S), where IO and S are the names'
# roles in the *clean* prompt. So the corrupted run should score below 0. As always, what is chosen on `NAMES` is
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
print("S2 at", choose.where["S2"], "and END at", choose.where["END"])
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


# %%
def patch_position(activation: torch.Tensor, source: torch.Tensor, pos: int) -> torch.Tensor:
    """A copy of `activation` that has the source's values at position `pos`.

    Args:
        activation: of the run that is patched, [batch, pos, d_model].
        source: of the other run, [batch, pos, d_model].
        pos: the position to patch, in every row.
    """
    ### BEGIN SOLUTION
    patched = activation.clone()
    patched[:, pos] = source[:, pos]
    return patched
    ### END SOLUTION


# %% tags=["check"]
lesson_03.check_patch_position(patch_position)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Copy first. In a hook, `activation` may be a tensor that somebody else holds; `source` surely is one.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `x[:, pos]` is one position in every row, [batch, d_model]. It can stand on both sides of `=`.
#
# </details>

# %% [markdown]
# ### Exercise 2 · the share restored (5 minutes, easy)
#
# Logits are hard to compare between prompts. So put the score on a scale: 0 if the patch changed nothing, 1 if it
# gave the clean score back.


# %%
def share_restored(patched: torch.Tensor, *, clean: float, corrupted: float) -> torch.Tensor:
    """How far a patch has brought the metric back: 0 is the corrupted run, 1 the clean one.

    Args:
        patched: the metric after each patch, of any shape.
        clean, corrupted: the metric on the two unpatched runs.
    """
    ### BEGIN SOLUTION
    return (patched - corrupted) / (clean - corrupted)
    ### END SOLUTION


# %% tags=["check"]
lesson_03.check_share_restored(share_restored)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# How far has it come, over how far there is to go.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Both distances start at the corrupted score.
#
# </details>

# %% [markdown]
# Now one patch by hand. The residual stream that enters layer 21 (`resid_pre`), at one position. *Predict first:*
# what will it give at S2, the changed name? At END, where the answer is made? At the word after S2? And in layer
# 0 at S2?

# %%
from utils.patches import patch_position, share_restored  # the course's versions, from here on

clean, corrupted = choose.tokens, choose.swapped().tokens
clean_score, corrupted_score = score(choose, clean).mean(), score(choose, corrupted).mean()
where = choose.where


def residual_patch(tokens, source, layer: int, pos: int) -> float:
    """The mean logit difference with the stream at one place taken from the run on `source`."""
    name = f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        _, cache = model.run_with_cache(source, names_filter=name)
        hook = (name, lambda activation, hook: patch_position(activation, cache[name], pos))
        with model.hooks(fwd_hooks=[hook]):
            return choose.logit_diff(model(tokens)).mean()


for layer, label, pos in [
    (0, "S2", where["S2"]),
    (21, "S2", where["S2"]),
    (21, "the word after S2", where["S2"] + 1),
    (21, "END", where["END"]),
]:
    patched = residual_patch(corrupted, clean, layer, pos)
    share = share_restored(patched, clean=clean_score, corrupted=corrupted_score)
    print(f"layer {layer}, {label}: {patched:.2f}, share restored {share:.2f}")

# %% [markdown]
# In layer 0 at S2 it is 1 *by construction*: that patch makes the clean prompt. A good first test of any patching
# code.
#
# Now everywhere: 30 layers times 15 positions. `utils.patching.sweep` gives the same numbers as your hook,
# faster: it starts each patched run where the patch is, and runs many together. (`transformer_lens.patching` has
# such sweeps too, one full pass for each patch.)

# %%
from utils.patching import path_sweep, sweep


def mean_diff(logits: torch.Tensor) -> torch.Tensor:
    return choose.logit_diff(logits).mean()


stream = sweep(model, corrupted, clean, mean_diff, what="resid_pre")
labels = model.to_str_tokens(clean[0])
labels[where["S2"]], labels[where["END"]] = "S2", "END"
plots.position_heatmap(
    stream.restored,
    labels,
    title="The difference waits at S2, and moves to END in layers 19 to 24",
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
# ### Control: does it have to be the *right* prompt?
#
# A corrupted run that gets *confused* also scores nearer to the clean one. So patch the same places from
# **strangers**: other prompts of the set, with other names. One stranger is a neighbour's clean run, the other a
# neighbour's corrupted run. Neither knows the right name. *Predict first:* what share will they "restore"?

# %%
sources = {
    "its own clean run": clean,
    "a stranger's clean run": clean.roll(1, 0),  # each prompt gets its neighbour's activations
    "a stranger's corrupted run": corrupted.roll(1, 0),
}
places = [(19, "S2"), (21, "END"), (25, "END")]
control = {
    (name, layer, label): share_restored(
        residual_patch(corrupted, source, layer, where[label]),
        clean=clean_score,
        corrupted=corrupted_score,
    ).item()
    for name, source in sources.items()
    for layer, label in places
}
no_opinion = share_restored(0.0, clean=clean_score, corrupted=corrupted_score).item()
plots.table(
    [(name, *(f"{control[name, *place]:.2f}" for place in places)) for name in sources],
    columns=["share restored, from", *(f"entering layer {i}, {label}" for i, label in places)],
)

# %% [markdown]
# Read the columns.
#
# - **S2, entering layer 19.** A stranger's clean run "restores" **0.60**. It cannot know the name. Where does
#   that come from? If the model had *no opinion*, with a logit difference of 0, the share would be **0.62**
#   already: the corrupted run is that far below 0. So on this scale that much may mean *confused*, and only what
#   lies above it needs the right name.
# - **END, entering layer 21.** The stranger's clean run restores **0.37**, no less than the prompt's own
#   **0.34**. So what stands at END there is **not the name**. Nor is it confusion, since a stranger's *corrupted*
#   run restores **0.01**. It is something that all clean prompts share and no corrupted one does: for instance,
#   *which of the two names came twice, the first or the second*. A position, not a name.
# - **END, entering layer 25.** Own **0.91**; both strangers near "no opinion". Here it *is* the name.
#
# Without this control the heatmap reads as "the name moves to END in two steps". With it, the two steps carry two
# different things.

# %% tags=["numbers"]
claim("S2, entering layer 19", stream.restored[19, where["S2"]], text=1.0, within=0.03)
claim("END, entering layer 21", stream.restored[21, where["END"]], text=0.34, within=0.02)
claim("S2, entering layer 21", stream.restored[21, where["S2"]], text=0.58, within=0.02)
claim("END, entering layer 25", stream.restored[25, where["END"]], text=0.91, within=0.02)
stranger, turned = list(sources)[1:]
claim("a stranger at S2, layer 19", control[stranger, 19, "S2"], text=0.60, within=0.03)
claim("no opinion", no_opinion, text=0.62, within=0.01)
claim("a stranger at END, layer 21", control[stranger, 21, "END"], text=0.37, within=0.03)
claim("a corrupted stranger at END, 21", control[turned, 21, "END"], text=0.01, within=0.02)
for name in (stranger, turned):
    assert abs(control[name, 25, "END"] - no_opinion) < 0.1
assert abs(stream.restored[25, where["S2"]]) < 0.1
assert stream.restored[:, where["S2"] + 1 : where["END"]].abs().max() < 0.1

# %% [markdown]
# ## 2. Who moves it? Layers, then heads
#
# The residual stream holds everything that was written so far. To find *who* writes, patch what one attention
# layer, one MLP or one head adds.

# %%
attention = sweep(model, corrupted, clean, mean_diff, what="attn_out")
mlps = sweep(model, corrupted, clean, mean_diff, what="mlp_out")
plots.position_heatmap(
    attention.restored,
    labels,
    title="Attention: layer 17 at S2, layers 20 and 23 at END; layer 24 works against it",
    label="share restored",
)

# %%
for name, found in [("attention", attention), ("MLP", mlps)]:
    order = found.restored.abs().flatten().argsort(descending=True)[:5].tolist()
    for layer, pos in [divmod(i, len(labels)) for i in order]:
        print(f"{name} {layer} at {labels[pos]}: {found.restored[layer, pos]:+.2f}")

# %% [markdown]
# Attention moves things between positions, and four layers of it stand out: 17 at S2, 20 and 23 at END, with
# **0.20**, **0.21** and **0.73**, and layer 24 with **-0.22**, which works against. A negative share means: with
# *its clean output* the answer gets worse.
#
# Among the MLPs, number 0 at S2 restores all of it, **1.00**. Did you find where the task is done? No. MLP 0
# reads the token. The corrupted embedding is still in the stream, and yet the clean output of MLP 0 is enough:
# later layers read the token from *it*. It acts as a second embedding, and restoring it restores the input. "It
# restores everything" is a reason to look for what is trivial.
#
# Now all 270 heads, each at all positions. One sweep can score several metrics at once, at no cost: a dictionary
# goes in, a dictionary comes out. All but the first are for section 5; the last line gives every prompt its own
# score, and so a spread.

# %%
rows = torch.arange(len(clean), device=cfg.device)
metrics = {
    "logit difference": mean_diff,
    "logit of IO": lambda logits: logits[rows, -1, choose.io].mean(),
    "log-probability": lambda logits: logits[:, -1].log_softmax(-1)[rows, choose.io].mean(),
    "probability": lambda logits: logits[:, -1].softmax(-1)[rows, choose.io].mean(),
    "accuracy": lambda logits: (choose.logit_diff(logits) > 0).float().mean(),
} | {f"prompt {i}": lambda logits, i=i: choose.logit_diff(logits)[i] for i in range(len(clean))}

denoise = sweep(model, corrupted, clean, metrics, what="z")
restored = denoise["logit difference"].restored
plots.head_heatmap(
    restored,
    title="Six heads carry the difference, and two push back",
    label="share restored",
    top=6,
)

# %% tags=["nbval-check-output"]
TOP = top_heads(restored, 6)
AGAINST = top_heads(-restored, 2)
print("restore:", sorted(head_name(head) for head in TOP))
print("against:", sorted(head_name(head) for head in AGAINST))

# %%
spread = torch.stack([denoise[f"prompt {i}"].restored for i in range(len(clean))])
for head in TOP + AGAINST:
    low, high = spread[:, *head].min(), spread[:, *head].max()
    print(f"{head_name(head)} {restored[head]:+.2f}   over the prompts {low:+.2f} to {high:+.2f}")

# %% [markdown]
# ### Test, on names that did not choose them
#
# Patch sets of heads *together*, on fresh names, and in another template. The control is six heads at random from
# the same layers.

# %%
from utils.patches import patched_heads


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
pick = torch.Generator().manual_seed(2)
others = [
    [
        random_heads(1, layers=[layer], n_heads=cfg.n_heads, but=TOP + AGAINST, generator=pick)[0]
        for layer, _ in TOP
    ]
    for _ in range(6)
]
together = {
    (name, what): pair.restores(heads).mean().item()
    for name, pair in pairs.items()
    for what, heads in {"top six": TOP, "L20H0 and L23H3": [(20, 0), (23, 3)]}.items()
}
together |= {
    ("test", f"six others, draw {i}"): pairs["test"].restores(heads).mean().item()
    for i, heads in enumerate(others)
}
for (name, what), share in together.items():
    print(f"{name}: {what} {share:.2f}")

# %% [markdown]
# On fresh names the six restore **1.16** of the difference, in another template **1.19**. Six others of the same
# layers: **0.05** at most. More than 1 is no mistake: the two heads that push back still give their corrupted
# output.
#
# And two heads alone, L20H0 and L23H3, restore **0.98** and **1.16**: two of 270. That is what denoising finds,
# something *sufficient*. It is not the whole circuit: all that these two need from the others was put into them
# by the patch.
#
# ### Writing to the logits, or writing to others?
#
# Lesson 02 knew L23H3 as the **name remover** (it looks at S2 and pushes that name down) and L23H0 as a **name
# mover**. It did not know L20H0 and L17H4: they write next to nothing towards either name. So compare, for each
# head, what its patch does in total with what it does *directly*: the change of what it writes, read by lesson
# 02's direction.

# %%
from utils.attribution import (
    direct_logit_attribution,
    head_outputs,
    logit_diff_direction,
    norm_scale,
)

name = f"blocks.{cfg.n_layers - 1}.hook_resid_post"
with torch.no_grad():
    _, cache = model.run_with_cache(corrupted, names_filter=name)
    scale = norm_scale(cache[name][:, -1], cfg.eps)
    direction = logit_diff_direction(model.W_U, model.ln_final.weight, choose.io, choose.s)
    own, other = outputs(corrupted), outputs(clean)
    direct = (
        torch.stack(
            [
                direct_logit_attribution(
                    head_outputs((other[layer] - own[layer])[:, -1], model.W_O[layer]),
                    direction,
                    scale,
                ).mean(1)
                for layer in range(cfg.n_layers)
            ]
        ).cpu()
        / (clean_score - corrupted_score).cpu()
    )


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
claim("attention 17 at S2", attention.restored[17, where["S2"]], text=0.20, within=0.02)
claim("attention 20 at END", attention.restored[20, where["END"]], text=0.21, within=0.02)
claim("attention 23 at END", attention.restored[23, where["END"]], text=0.73, within=0.02)
claim("attention 24 at END", attention.restored[24, where["END"]], text=-0.22, within=0.02)
claim("MLP 0 at S2", mlps.restored[0, where["S2"]], text=1.00, within=0.02)
six = [share for (_, what), share in together.items() if what.startswith("six others")]
claim("top six, test", together["test", "top six"], text=1.16, within=0.04)
claim("top six, reworded", together["reworded", "top six"], text=1.19, within=0.04)
claim("six others, at most", max(six), text=0.05, within=0.03)
claim("two heads, test", together["test", "L20H0 and L23H3"], text=0.98, within=0.04)
claim("two heads, reworded", together["reworded", "L20H0 and L23H3"], text=1.16, within=0.04)
claim("L20H0, directly", direct[20, 0], text=0.00, within=0.01)
claim("L17H4, directly", direct[17, 4], text=0.00, within=0.01)
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

# %%
gates = {"A or B": lambda a, b: float(a or b), "A and B": lambda a, b: float(a and b)}
plots.table(
    [
        (name, f"{gate(True, False):.0f}", f"{1 - gate(False, True):.0f}")
        for name, gate in gates.items()
    ],
    columns=["output", "denoising A restores", "noising A breaks"],
)

# %% [markdown]
# They disagree completely. Where parts back each other up (**or**), noising finds neither, though both work.
# Where all parts are needed (**and**), denoising finds neither. A single patch says nothing about such structure;
# *both directions* do.
#
# Here are both for all heads. Noising is counted so that 1 means "as bad as the corrupted run".

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
# More restored than broken: that is the *or* pattern. So somebody must be standing in. L17H4 is one of the three
# induction heads that lesson 01 found in layer 17, with L17H3 and L17H5. *Predict first:* noise those two alone;
# then all three together.

# %%
INDUCTION = [(17, 3), (17, 4), (17, 5)]
groups = {
    "L17H4": [(17, 4)],
    "L17H3": [(17, 3)],
    "L17H5": [(17, 5)],
    "all three": INDUCTION,
    "L17H4, L17H0, L17H8 (control)": [(17, 4), (17, 0), (17, 8)],
    "L19H2": [(19, 2)],
    "L17H4 and L19H2": [(17, 4), (19, 2)],
}
backup = {
    name: {
        group: (pair.restores(heads).mean().item(), pair.breaks(heads).mean().item())
        for group, heads in groups.items()
    }
    for name, pair in pairs.items()
}
plots.table(
    [
        (group, *(f"{backup[name][group][way]:+.2f}" for name in pairs for way in (0, 1)))
        for group in groups
    ],
    columns=["", "test: restores", "test: breaks", "reworded: restores", "reworded: breaks"],
)

# %% [markdown]
# Alone, L17H3 and L17H5 do nothing, in either direction. With L17H4 they do: noising all three breaks **0.44**,
# where the three single effects sum to **0.24**. So they back L17H4 up, and a sweep of single noisings gives them
# 0. Two other heads of the layer, the control, add next to nothing. The reworded prompts show the same: **0.32**
#    together. In the same way L19H2 and L17H4 together break **0.40**, and singly **0.28** in sum.
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
for name in pairs:
    assert max(abs(share) for h in ("L17H3", "L17H5") for share in backup[name][h]) < 0.04
singles = sum(backup["test"][head][1] for head in ("L17H3", "L17H4", "L17H5"))
claim("all three break", backup["test"]["all three"][1], text=0.44, within=0.03)
claim("sum of the three alone", singles, text=0.24, within=0.03)
claim("all three break, reworded", backup["reworded"]["all three"][1], text=0.32, within=0.03)
for name in pairs:
    bystanders = backup[name]["L17H4, L17H0, L17H8 (control)"][1]
    assert abs(bystanders - backup[name]["L17H4"][1]) < 0.05
pair_break = backup["test"]["L17H4 and L19H2"][1]
claim("L17H4 and L19H2 break together", pair_break, text=0.40, within=0.03)
pair_sum = backup["test"]["L17H4"][1] + backup["test"]["L19H2"][1]
claim("L17H4 and L19H2, sum", pair_sum, text=0.28, within=0.03)

# %% [markdown]
# ## 4. Choosing the corruption
#
# A patch can only show what *differs* between the two runs. So the corruption is the question. Here are five, all
# measured by noising on names that did not choose the heads, in logits:
#
# - **S2 swapped**: what we had. The name at S2 changes, and so does the position it points to.
# - **third name** at S2: no name comes twice any more.
# - **roles exchanged**: IO and S trade names *everywhere*. The other name is right; all positions play the same
#   role.
# - **order exchanged**: the two first names trade places, and S2 stays. The *same* name is right, from the other
#   position.
# - **noise** on the embedding of S2, of three times the embeddings' standard deviation: what *causal tracing*
#   does (Meng and colleagues, 2022).
#
# *Predict first:* a head that carries "which name" and a head that carries "which position": which corruptions
# will each one notice?

# %%
small = ioi.prompts(model, 4, generator=torch.Generator().manual_seed(3), names=ioi.OTHER_NAMES)


def with_names(**names) -> torch.Tensor:
    """The small set's tokens with other names at IO, S1 or S2."""
    tokens = small.tokens.clone()
    for label, name in names.items():
        tokens[:, small.where[label]] = name
    return tokens


corruptions = {
    "S2 swapped": small.swapped().tokens,
    "third name": small.third_name().tokens,
    "roles exchanged": with_names(IO=small.s, S1=small.io, S2=small.io),
    "order exchanged": with_names(IO=small.s, S1=small.io),
}
noise_at_S2 = torch.zeros(len(small.tokens), small.tokens.shape[1], cfg.d_model)
noise_at_S2[:, small.where["S2"]] = (
    3
    * model.W_E.std().cpu()
    * torch.randn(4, cfg.d_model, generator=torch.Generator().manual_seed(4))
)
noise_at_S2 = noise_at_S2.to(cfg.device)

z_of, score_of = {}, {"clean": score(small, small.tokens).mean().item()}
for name, tokens in corruptions.items():
    z_of[name], score_of[name] = outputs(tokens), score(small, tokens).mean().item()
with model.hooks(fwd_hooks=[("hook_embed", lambda embed, hook: embed + noise_at_S2)]):
    z_of["noise at S2"] = outputs(small.tokens)
    score_of["noise at S2"] = score(small, small.tokens).mean().item()

# The heads of the two sweeps, and one that full sweeps with the last corruptions bring up (a minute
# each: try it).
LISTED = [(23, 3), (23, 0), (24, 4), (20, 0), (17, 4), (16, 0)]
effects = {}
for name, z in z_of.items():
    for head in LISTED:
        with patched_heads(model, [head], z):
            effects[name, head] = score(small, small.tokens).mean().item() - score_of["clean"]
plots.table(
    [("the whole run: its score", *(f"{score_of[name]:+.1f}" for name in z_of))]
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
#   "the name to avoid is the one that came second". L17H4 as well (**-1.7**). That is what the strangers of
#   section 1 hinted at.
# - **S2 swapped** changes both at once, and cannot tell the two kinds apart.
# - And L16H0, the previous-token head of lesson 01? Under the first two and under noise at S2 it shows *nothing*;
#   under the other two it is as strong as any (**-3.2**). Before S2 the first two corruptions change nothing, so
#   whatever works there is invisible. **A corruption hides everything that happens before it.**
# - **Noise at S2** breaks things (the run scores **1.0**) without saying anything definite. It finds the same
#   heads here, weaker. Such activations are none the model ever makes, and they differ by the seed and the size
#   of the noise. Zhang and Nanda (2023) compare, and advise exchanging tokens.
#
# So do not ask "which heads matter?". Ask "which heads carry *this* difference?", and choose the pair of prompts
# for it.

# %% tags=["numbers"]
ROLES, ORDER = "roles exchanged", "order exchanged"
claim("L23H3, roles", effects[ROLES, (23, 3)], text=-3.1, within=0.15)
claim("L20H0, roles", effects[ROLES, (20, 0)], text=-0.2, within=0.1)
claim("L17H4, roles", effects[ROLES, (17, 4)], text=0.0, within=0.1)
claim("L23H3, order", effects[ORDER, (23, 3)], text=-0.3, within=0.1)
claim("L20H0, order", effects[ORDER, (20, 0)], text=-2.6, within=0.15)
claim("L17H4, order", effects[ORDER, (17, 4)], text=-1.7, within=0.15)
claim("L16H0, order", effects[ORDER, (16, 0)], text=-3.2, within=0.15)
claim("L16H0, roles", effects[ROLES, (16, 0)], text=-3.2, within=0.15)
assert max(abs(effects[n, (16, 0)]) for n in ("S2 swapped", "third name", "noise at S2")) < 0.05
claim("the run with noise at S2", score_of["noise at S2"], text=1.0, within=0.1)
assert score_of[ORDER] > 2.5, "the exchanged order leaves the answer"
for head in [(23, 3), (20, 0), (17, 4)]:
    assert abs(effects["noise at S2", head]) < abs(effects["S2 swapped", head])

# %% [markdown]
# ## 5. Metrics, and their traps
#
# The sweeps of sections 2 and 3 also scored four other metrics. *Predict first:* the corrupted run gives IO a
# probability of about a five-hundredth. What will a patch that restores a third of the logit difference do to the
# *probability*?

# %%
names = list(metrics)[:5]
plots.table(
    [("clean, corrupted", *(f"{denoise[n].source:.2f}, {denoise[n].base:.2f}" for n in names))]
    + [
        (
            head_name(head),
            *(f"{denoise[n].restored[head]:+.2f} / {noise[n].restored[head]:+.2f}" for n in names),
        )
        for head in TOP + AGAINST
    ],
    columns=["restores / breaks", *names],
)


# %%
agree = {name: correlation(denoise[name].restored, noise[name].restored) for name in names}
print({name: round(value, 2) for name, value in agree.items()})

# %% tags=["numbers"]
claim("probability, L20H0 restores", denoise["probability"].restored[20, 0], text=0.02, within=0.02)
assert all(denoise["probability"].restored[head] > -0.01 for head in AGAINST)
assert all(noise["probability"].restored[head] < -0.2 for head in AGAINST)
claim("probability, L20H0 breaks", noise["probability"].restored[20, 0], text=0.48, within=0.05)
claim("agreement by probability", agree["probability"], text=0.81, within=0.04)
claim("agreement by logit difference", agree["logit difference"], text=0.97, within=0.02)
claim("logit of IO, L20H0 restores", denoise["logit of IO"].restored[20, 0], text=0.00, within=0.03)
assert denoise["probability"].base < 0.004
assert denoise["accuracy"].restored.nonzero().tolist() == [[23, 3]]

# %% [markdown]
# **Probability saturates.** The corrupted run gives IO nearly none, and a patch that restores a third of the
# logits leaves it nearly there. In the column, denoising L20H0 restores **0.02** of the probability, and the two
# heads that push back do not show at all. Noising starts from a high probability: now L20H0 breaks **0.48**. The
# same head and the same two runs. By probability the two directions correlate **0.81** over heads, by logit
# difference **0.97**.
#
# **A single logit** counts what pushes both names. L20H0 restores **0.21** of the difference and **0.00** of IO's
# logit: on these prompts its work is to lower S. Which is right? Both are; they are different questions.
#
# **Accuracy** is worse still. Denoising any one head turns no prompt round, except for the strongest, L23H3. Rank
# has the same trouble. So report a difference of logits, and look at one other metric to see what the difference
# hides: whatever raises both names.
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
# ### Exercise 3 · the log-probability of an answer (15 minutes, medium)


# %%
def answer_log_prob(logits: torch.Tensor, tokens: torch.Tensor, n_answer: int) -> torch.Tensor:
    """Log-probability (nats) of the last `n_answer` tokens, given all that stands before each, [batch].

    Args:
        logits: [batch, pos, d_vocab] of the model run on `tokens`.
        tokens: prompt and answer, [batch, pos].
        n_answer: how many tokens the answer has.
    """
    ### BEGIN SOLUTION
    log_probs = logits[:, -n_answer - 1 : -1].log_softmax(-1)
    answer = tokens[:, -n_answer:, None].to(logits.device)
    return log_probs.gather(-1, answer)[..., 0].sum(-1)
    ### END SOLUTION


# %% tags=["check"]
lesson_03.check_answer_log_prob(answer_log_prob)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The answer's first token is predicted one position *before* it stands. Which `n_answer` positions predict the
# answer?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `logits[:, -n_answer - 1 : -1]`, then `log_softmax`, then `gather` with the answer's tokens, as in lesson 01's
# loss. Sum over the answer, and keep the batch.
#
# </details>

# %% [markdown]
# Now the task. Clean: `The key opens room 913. Go to room 913`. Corrupted: `The key opens room 781. Go to room
# 913`. *Both* end in the clean answer: it is the same answer that is scored in both runs. All three digits
# differ. (Of some fifteen sentences tried, this one is here because the model completes it every time.) The gate:
# does the model say the number, digit by digit, as its first choice?

# %%
from utils.patches import answer_log_prob

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
    return lambda logits: logits[:, i].log_softmax(-1)[rows, answers[:, i]].mean()


number_metrics = {
    "whole answer": lambda logits: answer_log_prob(
        logits, number_clean[:, -n_answer - 1 :], n_answer
    ).mean(),
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
    at=range(n_pos - n_answer - 1, n_pos),  # the metric gets the logits at these positions
)
plots.table(
    [
        (
            name,
            f"{found.source - found.base:+.2f}",
            ", ".join(
                f"{head_name(head)} {found.effect[head]:+.2f}"
                for head in top_heads(found.effect, 3)
            ),
            ", ".join(
                f"{head_name(head)} {found.effect[head]:+.2f}"
                for head in top_heads(-found.effect, 2)
            ),
        )
        for name, found in number_sweep.items()
    ],
    columns=["scored (nats)", "clean minus corrupted", "heads that restore most", "and that harm"],
)

# %% [markdown]
# - **The first token** of the answer is a space. Both runs predict it equally well, so it finds nothing, whatever
#   the model does. Always look at what your "first token" is.
# - **The first digit** is brought mostly by L23H0, the name mover of the IOI task (**2.7** nats of **3.5**). It
#   moves digits too.
# - **The last digit** is brought mostly by L18H6 and L18H7 (**1.6** and **1.0** nats of **3.0**): two induction
#   heads of lesson 01. Once the first digit stands there, the rest is a repeat. Score the first digit only, and
#   L18H7 does not come up at all.
# - **The whole answer** finds both kinds.
#
# And L16H0 *harms* (**-1.15**). It tells the induction heads which digit came before which. The patch gives its
# clean message about *where* to look, while the digits themselves are still the corrupted ones: half of a
# mechanism from one run, half from the other. (That is a reading; question 5 asks for its test.) A patch that
# harms is not always a head that works against.
#
# **The answer comes after many forward passes: where do I patch?** With teacher forcing there is one pass, and a
# patch "at all positions" acts in every step of it. If the two runs generate *different* texts (a chain of
# thought), their positions no longer match. Then patch only the part that both share, and score a fixed
# continuation, or let the model go on and score what it ends with (lesson 15).

# %% tags=["numbers"]
assert said_clean > 0.9
space, first_digit = number_sweep["the space"], number_sweep["first digit"]
last_digit, whole = number_sweep["last digit"], number_sweep["whole answer"]
assert abs(space.source - space.base) < 0.05 and space.effect.abs().max() < 0.05
claim("first digit, nats", first_digit.source - first_digit.base, text=3.5, within=0.1)
claim("first digit, L23H0", first_digit.effect[23, 0], text=2.7, within=0.1)
claim("last digit, nats", last_digit.source - last_digit.base, text=3.0, within=0.1)
claim("last digit, L18H6", last_digit.effect[18, 6], text=1.6, within=0.1)
claim("last digit, L18H7", last_digit.effect[18, 7], text=1.0, within=0.1)
assert (18, 7) not in top_heads(first_digit.effect, 10)
assert {(23, 0), (18, 6)} <= set(top_heads(whole.effect, 3))
claim("whole answer, L16H0", whole.effect[16, 0], text=-1.15, within=0.1)

# %% [markdown]
# ## 6. Grouped queries: one key-value head, three query heads
#
# This model has 9 query heads in a layer, and only 3 heads of keys and values: three queries share one.
# (*Grouped-query attention* keeps the cache of keys and values small.) So what can be patched depends on the
# place:

# %% tags=["nbval-check-output"]
with torch.no_grad():
    _, cache = model.run_with_cache(clean, names_filter=lambda name: name.startswith("blocks.23."))
for what in ("q", "k", "v", "z"):
    print(what, list(cache[f"blocks.23.attn.hook_{what}"].shape))

# %% [markdown]
# ### Exercise 4 · who shares? (5 minutes, easy)


# %%
def query_heads(kv_head: int, *, n_heads: int, n_kv: int) -> list[int]:
    """The query heads that share one key-value head. Neighbours share: the first ones take head 0.

    Args:
        kv_head: the key-value head.
        n_heads, n_kv: how many query heads and key-value heads the layer has.
    """
    ### BEGIN SOLUTION
    size = n_heads // n_kv
    return list(range(kv_head * size, (kv_head + 1) * size))
    ### END SOLUTION


# %% tags=["check"]
lesson_03.check_query_heads(query_heads)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# How many query heads does each key-value head serve? Cut the query heads into groups of that size.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Group 0 starts at 0, and group 1 at the size of a group.
#
# </details>

# %% [markdown]
# Now sweep over values and keys: three cells a layer. *Predict first:* the name remover L23H3 looks at S2 in both
# runs. Which key-value head will light up, and in the sweep of keys or of values?

# %%
from utils.patches import query_heads

values = sweep(model, corrupted, clean, mean_diff, what="v").restored
keys = sweep(model, corrupted, clean, mean_diff, what="k").restored
figure = plots.head_heatmap(
    values,
    title="Values: what matters is read from key-value head 1 of layer 23, and head 0 of layer 20",
    label="share restored",
)
figure.update_xaxes(title_text="key-value head")

# %%
for name, found in [("value", values), ("key", keys)]:
    order = found.abs().flatten().argsort(descending=True)[:3].tolist()
    for layer, kv in [divmod(i, found.shape[1]) for i in order]:
        sharing = query_heads(kv, n_heads=cfg.n_heads, n_kv=cfg.n_key_value_heads)
        print(
            f"{name} of layer {layer}, key-value head {kv}: {found[layer, kv]:+.2f}; z of its query heads",
            {head_name((layer, h)): round(restored[layer, h].item(), 2) for h in sharing},
        )

# %% [markdown]
# By hand, once: patch that one value head, and see which heads of the layer notice.

# %%
LAYER, KV = 23, 1
with torch.no_grad():
    _, cache = model.run_with_cache(clean, names_filter=f"blocks.{LAYER}.attn.hook_v")
    clean_v = cache["v", LAYER]

    def patch_v(v, hook):
        v = v.clone()
        v[:, :, KV] = clean_v[:, :, KV]
        return v

    with model.hooks(fwd_hooks=[(f"blocks.{LAYER}.attn.hook_v", patch_v)]):
        patched_z = outputs(corrupted)[LAYER]
changed = (patched_z - own[LAYER]).abs().amax((0, 1, 3)) > 0
print("z changed in heads", changed.nonzero().flatten().tolist(), "of layer", LAYER)

# %% [markdown]
# One value head in, three query heads changed. The patch restores **0.46**, and of the three only L23H3 matters:
# its whole output restores **0.56**, the other two nothing. To name a head you need the sweep over z; a cell of k
# or v is always a *group*. And to patch "the value of L23H3" alone there is no place: copy the value head three
# times, or patch z.
#
# The remover's *keys* do nothing (**-0.02**): it looks at S2 in any case, and what changes is what it reads
# there. The strongest key is **-0.29**, in layer 24, key-value head 1: more harm than its query head L24H4 does
# with all of its clean output (**-0.14**). Clean keys met by a corrupted query: again half a mechanism.

# %% tags=["numbers"]
claim("values of layer 23, key-value head 1", values[23, 1], text=0.46, within=0.03)
claim("z of L23H3", restored[23, 3], text=0.56, within=0.02)
assert max(abs(restored[23, h]) for h in (4, 5)) < 0.04
assert changed.nonzero().flatten().tolist() == query_heads(KV, n_heads=9, n_kv=3)
claim("keys of layer 23, key-value head 1", keys[23, 1], text=-0.02, within=0.02)
claim("keys of layer 24, key-value head 1", keys[24, 1], text=-0.29, within=0.03)
claim("z of L24H4", restored[24, 4], text=-0.14, within=0.02)

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
# ### Exercise 5 · one reader, one writer (15 minutes, hard)


# %%
def add_along_path(
    inputs: torch.Tensor,
    *,
    receiver: int,
    own: torch.Tensor,
    source: torch.Tensor,
    W_O: torch.Tensor,
) -> torch.Tensor:
    """A copy of the heads' inputs in which one head reads what a sender writes in another run.

    Args:
        inputs: what each head of the receiver's layer reads, [batch, pos, head, d_model].
        receiver: the head that reads something else.
        own, source: the sender's `z` in this run and in the source run, [batch, pos, d_head].
        W_O: the sender's output matrix, [d_head, d_model].
    """
    ### BEGIN SOLUTION
    inputs = inputs.clone()
    inputs[:, :, receiver] += (source - own) @ W_O
    return inputs
    ### END SOLUTION


# %% tags=["check"]
lesson_03.check_add_along_path(add_along_path)

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
# `hook_v_input`). It costs memory, so it is off by default.

# %%
from utils.patches import add_along_path

model.set_use_split_qkv_input(True)
(sender_layer, sender), (layer, receiver) = (20, 0), (23, 0)


def along_the_path(inputs, hook):
    return add_along_path(
        inputs,
        receiver=receiver,
        own=own[sender_layer][:, :, sender],
        source=other[sender_layer][:, :, sender],
        W_O=model.W_O[sender_layer, sender],
    )


with torch.no_grad(), model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_q_input", along_the_path)]):
    one_path = share_restored(
        score(choose, corrupted).mean(), clean=clean_score, corrupted=corrupted_score
    ).item()
print(f"L20H0 to the query of L23H0: {one_path:.3f} of the difference")

# %% [markdown]
# All senders at once: `path_sweep`. Four sets of receivers:
#
# - the query of the name **mover** L23H0;
# - the query of the name **remover** L23H3;
# - as a control, the query of L23H8, a head of that layer which plays no part;
# - the values that L20H0 reads: key-value head 0 of layer 20.

# %%
receivers = {
    "query of L23H0 (mover)": ([(23, 0)], "q"),
    "query of L23H3 (remover)": ([(23, 3)], "q"),
    "query of L23H8 (control)": ([(23, 8)], "q"),
    "values of L20H0": ([(20, 0)], "v"),
}
paths = {
    name: path_sweep(model, corrupted, clean, mean_diff, receivers=heads, into=into).restored
    for name, (heads, into) in receivers.items()
}
model.set_use_split_qkv_input(False)
plots.table(
    [
        (
            name,
            ", ".join(f"{head_name(h)} {found[h]:+.3f}" for h in top_heads(found.abs(), 4)),
        )
        for name, found in paths.items()
    ],
    columns=["into the", "strongest senders (share restored)"],
)

# %% [markdown]
# L20H0 does tell the **mover** where to look: this one path restores **0.13**, of the **0.21** that L20H0
# restores in all; L19H2 helps (**0.06**). Into the control's query, L20H0 sends **0.02**. And the **remover**
# needs nobody to tell it: no head changes its query by more than **0.01**. One layer further back: what L20H0
# reads at S2 was put there by L17H4 (**0.08**).
#
# ### The last link
#
# L17H4 is an induction head. In lesson 01 such a head found its place by its *keys*, into which a previous-token
# head had written. The S2 corruptions could not show that (section 4); the exchanged order can. So: noising, from
# the run with the first two names exchanged, one path, from L16H0 to the keys of layer 17. The keys of L17H4 are
# those of key-value head `4 // 3 = 1`. *Predict first:* L16H0 did **-3.2** logits in all. How much of it goes
# along this one path?

# %%
small_own, small_source = outputs(small.tokens), z_of[ORDER]
model.set_use_split_qkv_input(True)
link = {}
for kv in range(cfg.n_key_value_heads):

    def into_keys(inputs, hook, kv=kv):
        return add_along_path(
            inputs,
            receiver=kv,
            own=small_own[16][:, :, 0],
            source=small_source[16][:, :, 0],
            W_O=model.W_O[16, 0],
        )

    with model.hooks(fwd_hooks=[("blocks.17.hook_k_input", into_keys)]):
        link[kv] = score(small, small.tokens).mean().item() - score_of["clean"]
model.set_use_split_qkv_input(False)
print({f"keys of layer 17, key-value head {kv}": round(change, 2) for kv, change in link.items()})

# %% [markdown]
# **-2.7** logits, nearly all of it; along the keys of the other two groups, nothing. So the chain is
#
# > L16H0 (previous token) → keys of L17H4 (induction) → values of L20H0 → query of L23H0 (name mover)
#
# That is the chain which Wang and colleagues found in GPT-2 small: previous-token heads, induction heads,
# *S-inhibition heads*, name movers. There, too, S-inhibition heads carry mostly a position. But here it is only
# half of the story: the name remover L23H3 does as much alone, and asks nobody.
#
# What this does not show: path patching here follows *direct* paths. What goes through an MLP or a head on the
# way is left out (Wang and colleagues let MLPs pass it on). L20H0's other effects, and its writes to L24H4 and
# others, are not followed up.

# %% tags=["numbers"]
mover = paths["query of L23H0 (mover)"]
assert abs(mover[20, 0] - one_path) < 1e-3, "by hand and by path_sweep"
claim("L20H0 to the mover's query", mover[20, 0], text=0.13, within=0.02)
claim("L20H0 in total", restored[20, 0], text=0.21, within=0.02)
claim("L19H2 to the mover's query", mover[19, 2], text=0.06, within=0.02)
claim("L20H0 to the control", paths["query of L23H8 (control)"][20, 0], text=0.02, within=0.01)
remover = paths["query of L23H3 (remover)"]
claim("strongest into the remover's query", remover.abs().max(), text=0.01, within=0.005)
claim("L17H4 to L20H0's values", paths["values of L20H0"][17, 4], text=0.08, within=0.02)
claim("L16H0 to the keys of L17H4", link[1], text=-2.7, within=0.15)
assert max(abs(link[0]), abs(link[2])) < 0.05
claim("L16H0 in all", effects[ORDER, (16, 0)], text=-3.2, within=0.15)

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
# ### Exercise 6 · the estimate (10 minutes, medium)


# %%
def attribution_scores(
    gradient: torch.Tensor, own: torch.Tensor, source: torch.Tensor
) -> torch.Tensor:
    """How much each head's patch would move the metric if it were linear in its output, [head].

    Args:
        gradient: of the metric (a mean over prompts) with respect to `own`, [batch, pos, head, d_head].
        own, source: the heads' outputs in the run that is patched, and in the one that is patched in.
    """
    ### BEGIN SOLUTION
    return (gradient * (source - own)).sum((0, 1, 3))
    ### END SOLUTION


# %% tags=["check"]
lesson_03.check_attribution_scores(attribution_scores)

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
from utils.patches import attribution, attribution_scores

runs = {"denoising": (corrupted, clean), "noising": (clean, corrupted)}
exact = {"denoising": restored, "noising": broken}
gap = (clean_score - corrupted_score).item()
estimate, fit = {}, {}
for name, (tokens, source) in runs.items():
    way = 1 if name == "denoising" else -1
    estimate[name] = way * attribution(model, tokens, source, mean_diff).cpu() / gap
    fit[name] = correlation(estimate[name], exact[name])
    print(f"{name}: correlation with the exact sweep {fit[name]:.2f}")

plots.scatter(
    by_head(estimate["noising"], broken),
    title="Noising: the estimate misses L20H0 and L17H4 entirely",
    x="attribution patching: share broken",
    y="exact sweep: share broken",
    named=[head_name(head) for head in TOP + AGAINST],
    diagonal="exact",
)

# %%
plots.table(
    [
        (
            head_name(head),
            *(f"{found[name][head]:+.2f}" for name in runs for found in (estimate, exact)),
        )
        for head in TOP + AGAINST
    ],
    columns=["head", "denoising: estimate", "exact", "noising: estimate", "exact"],
)

# %% [markdown]
# For denoising the estimate is good: correlation **0.98**, from two runs forward and one back. For noising,
# **0.85**, and look who is wrong. L20H0 breaks **0.31**, and the estimate says **-0.01**: *nothing*. L17H4 even
# gets the wrong sign (**-0.09** for **0.19**), and L23H3 is too small. L29H1 and the two heads that push back are
# fine. The correlation hardly tells, since most of the 270 heads do nothing and are estimated to do nothing.
#
# Why L20H0 and L17H4? A first guess: their readers' softmax is saturated, so that small steps do nothing. A guess
# wants a test. Walk L20H0's output from clean to corrupted in small steps, and watch. And walk again while the
# attention patterns of *one later layer* are held as they were.

# %%
steps = torch.linspace(0, 1, 9).tolist()
with torch.no_grad():
    _, patterns = model.run_with_cache(clean, names_filter=lambda n: n.endswith("hook_pattern"))


def walk(head, *, fixed: int | None = None, steps=steps) -> list[float]:
    """The share broken while a head's output goes from clean to corrupted, step by step.

    Args:
        fixed: a layer whose attention patterns stay those of the clean run.
    """
    hooks = []
    if fixed is not None:
        hooks = [
            (f"blocks.{fixed}.attn.hook_pattern", lambda own, hook: patterns["pattern", fixed])
        ]
    shares = []
    for step in steps:
        mixed = {head[0]: torch.lerp(other[head[0]], own[head[0]], step)}
        with patched_heads(model, [head], mixed), model.hooks(fwd_hooks=hooks):
            shares.append((clean_score - score(choose, clean).mean()).item() / gap)
    return shares


walks = {
    "L20H0": walk((20, 0)),
    "L20H0, estimated from the gradient at 0": [
        step * estimate["noising"][20, 0].item() for step in steps
    ],
    "L20H0, attention of layer 24 held": walk((20, 0), fixed=24),
    "L29H1": walk((29, 1)),
}
held = {layer: walk((20, 0), fixed=layer, steps=[1.0])[0] for layer in (21, 22, 23, 24, 25)}
print({f"layer {layer} held": round(share, 2) for layer, share in held.items()})
plots.lines(
    walks,
    at=steps,
    title="At the start L20H0's curve is flat, and the gradient sees nothing else",
    x="how much of the corrupted output is mixed in",
    y="share broken",
)

# %% [markdown]
# L29H1 works straight on the logits, and its line is straight. L20H0's is flat first, and bends later. Hold layer
# 23, where the movers look, and the patch does nothing (**0.01**): all of it goes through their attention, and
# attention is not linear. So far the guess holds. But hold layer 24 instead: the damage nearly doubles, from
# **0.31** to **0.58**, and it sets in earlier, though that curve bends too. So at the start two things also
# **cancel**: the movers bring IO less, and layer 24, where L24H4 pushes down whatever is about to be said, pushes
# IO less too. Lesson 02 called that self-repair. It has a limit, and beyond it the damage shows.
#
# A gradient sees the slope where you stand. Bent attention and cancellation are the two known ways to get false
# zeros (Kramár and colleagues, 2024). One remedy is to average the gradient along the way.
#
# And earlier in the model?

# %%
stream_estimate = attribution(model, corrupted, clean, mean_diff, what="resid_pre").cpu() / gap
mlp_estimate = attribution(model, corrupted, clean, mean_diff, what="mlp_out").cpu() / gap
at_S2 = where["S2"]
plots.lines(
    {
        "exact": stream.restored[:, at_S2].tolist(),
        "attribution patching": stream_estimate[:, at_S2].tolist(),
    },
    title="The residual stream at S2: the estimate is blind wherever the patch matters",
    x="entering layer",
    y="share restored",
)

# %%
stream_fit = correlation(stream_estimate, stream.restored)
for what, guess, truth in [
    ("stream entering layer 0", stream_estimate, stream.restored),
    ("MLP 0", mlp_estimate, mlps.restored),
]:
    print(f"{what}, S2: estimate {guess[0, at_S2]:.2f}, exact {truth[0, at_S2]:.2f}")
print(f"correlation over the stream {stream_fit:.2f}")

# %% [markdown]
# At S2 entering layer 0 the patch *is* the clean prompt: exact share 1. The estimate: **-0.06**. For MLP 0 it
# says **0.00**, where the truth is **1.00**. In the whole column it never exceeds **0.16**, up to layer 23, while
# the truth always exceeds half. Between one name's embedding and another's lies a long way through vectors that
# are no names, and the slope at one end says nothing about the other. Over the whole stream the correlation is
# **0.47**.
#
# Rule of thumb: use it on heads, to choose whom to test; then test those with real patches. A 0 from attribution
# patching is not a 0.
#
# TransformerLens has attribution patching, by position: `attribution_patch`. It takes one prompt at a time. The
# same numbers?

# %%
from transformer_lens.tools.analysis.attribution_patching import attribution_patch

library = torch.zeros_like(restored)
for i in range(len(clean)):
    found = attribution_patch(
        model,
        clean[i : i + 1],
        corrupted[i : i + 1],
        lambda logits, i=i: logits[0, -1, choose.io[i]] - logits[0, -1, choose.s[i]],
    )
    for node, value in found.node_scores.items():
        if node.kind == "attn_head_out":
            library[node.layer, node.head] += value / len(clean) / gap
library_difference = (library - estimate["denoising"]).abs().max()
print(f"largest difference from the library's {library_difference:.1e}")

# %% [markdown]
# The same, to the last digits.

# %% tags=["numbers"]
claim("fit, denoising", fit["denoising"], text=0.98, within=0.02)
claim("fit, noising", fit["noising"], text=0.85, within=0.04)
claim("L20H0 breaks", broken[20, 0], text=0.31, within=0.03)
claim("L20H0 breaks, estimate", estimate["noising"][20, 0], text=-0.01, within=0.03)
claim("L17H4 breaks", broken[17, 4], text=0.19, within=0.03)
claim("L17H4 breaks, estimate", estimate["noising"][17, 4], text=-0.09, within=0.03)
for head in [(29, 1), (29, 0), (24, 4)]:
    assert abs(estimate["noising"][head] - broken[head]) < 0.05
claim("L20H0 breaks, layer 23 held", held[23], text=0.01, within=0.02)
claim("L20H0 breaks, layer 24 held", held[24], text=0.58, within=0.04)
for layer in (21, 22, 25):
    assert abs(held[layer] - broken[20, 0]) < 0.05
assert walks["L20H0"][2] < 0.1 * walks["L20H0"][-1], "flat at the start"
assert walks["L20H0, attention of layer 24 held"][2] > 3 * walks["L20H0"][2], "earlier"
assert abs(walks["L29H1"][4] - 0.5 * broken[29, 1]) < 0.03, "straight"
claim("stream at S2, layer 0, estimate", stream_estimate[0, at_S2], text=-0.06, within=0.04)
claim("MLP 0 at S2, estimate", mlp_estimate[0, at_S2], text=0.00, within=0.03)
claim("MLP 0 at S2, exact", mlps.restored[0, at_S2], text=1.00, within=0.02)
claim("largest estimate at S2", stream_estimate[:24, at_S2].max(), text=0.16, within=0.04)
assert stream.restored[:24, at_S2].min() > 0.5
assert estimate["noising"][23, 3] < 0.7 * broken[23, 3]
claim("fit over the stream", stream_fit, text=0.47, within=0.06)
assert library_difference < 1e-4

# %% [markdown]
# ## 9. Gradients through a patch, and three ways to lose them
#
# Often you want more than the effect of a given patch: *which vector* should stand there? For steering, for
# learned directions and for integrated gradients the metric must be differentiated with respect to *what was
# patched in*. The graph has to run from the vector, through the patch, to the metric.
#
# ### Exercise 7 · the gradient of a patch (15 minutes, medium)


# %%
def patch_gradient(rest, activation: torch.Tensor, vector: torch.Tensor, pos: int) -> torch.Tensor:
    """The gradient of a score with respect to a vector that is patched in at `pos`, [d_model].

    Args:
        rest: the rest of the model and a metric: takes the patched activation [batch, pos, d_model],
            returns a scalar.
        activation: the run's own. Leave it as it is.
        vector: [d_model], stands at `pos` in every row of the patched activation. Leave it as it is.
    """
    ### BEGIN SOLUTION
    vector = vector.detach().clone().requires_grad_()
    patched = activation.detach().clone()
    patched[:, pos] = vector
    return torch.autograd.grad(rest(patched), vector)[0]
    ### END SOLUTION


# %% tags=["check"]
lesson_03.check_patch_gradient(patch_gradient)

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
# the model. And a test that every gradient deserves: take a small step along it, and see whether the metric moves
# as promised.

# %%
from utils.patches import patch_gradient

name, end = "blocks.21.hook_resid_pre", where["END"]
first = slice(0, 1)  # one prompt will do
with torch.no_grad():
    _, cache = model.run_with_cache(corrupted[first], names_filter=name)
    activation = cache[name]
    _, cache = model.run_with_cache(clean[first], names_filter=name)
    vector = cache[name][0, end]


def with_hook(patch) -> torch.Tensor:
    """The first prompt's logit difference when `patch` changes what enters layer 21."""
    with model.hooks(fwd_hooks=[(name, lambda own, hook: patch(own))]):
        last = model(corrupted[first])[0, -1]
    return last[choose.io[0]] - last[choose.s[0]]


def rest(patched: torch.Tensor) -> torch.Tensor:
    """The model from layer 21 on: whatever it had there, it goes on with `patched`."""
    return with_hook(lambda own: patched)


gradient = patch_gradient(rest, activation, vector, end)


def rest_at(vector: torch.Tensor) -> float:
    with torch.no_grad():
        return rest(patch_position(activation, vector.expand_as(activation), end)).item()


step = 0.005 * vector.norm() * gradient / gradient.norm()
promised = 2 * (gradient @ step).item()
moved = rest_at(vector + step) - rest_at(vector - step)
print(f"promised {promised:.3f}, moved {moved:.3f}")

# %% [markdown]
# Now three ways to lose it. The weights of a loaded model ask for gradients, so `backward()` mostly runs without
# complaint. It just does not reach *your* vector.


# %%
def gradient_reaches(patch) -> str:
    """Patches with `patch(activation, vector)` inside a hook; says what became of the gradient."""
    asks = vector.clone().requires_grad_()
    try:
        with_hook(lambda own: patch(own, asks)).backward()
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


def detached(own, vector):
    return on_a_copy(own, vector.detach())  # so do .data, .item(), .tolist() and numpy


def under_no_grad(own, vector):
    with torch.no_grad():  # a habit from caching, and a decorator above a hook
        return on_a_copy(own, vector)


def into_a_leaf(own, vector):
    leaf = own.detach().requires_grad_()  # asks for gradients itself
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
# 1. **Detach.** `.detach()`, `.data`, `.item()`, or a trip through numpy: a copy that has forgotten where it came
#    from.
# 2. **No grad.** Under `torch.no_grad()` nothing is recorded. One such line inside a hook is enough. The same
#    holds for what was *cached* under it: gradients can flow to a patched vector, but never into the run that it
#    was cached from.
# 3. **In place.** Writing into a tensor that itself asks for gradients is an error. That is the friendly one of
#    the three: the first two lose the gradient *in silence*.
#
# So assert that the gradient is there, and is not all zeros, before you use it. And there is a fourth accident,
# with no gradient in sight. A tensor that was kept earlier may be the *same memory* as the one you write into:

# %%
with torch.no_grad():
    kept = {}

    def keep(own, hook):
        kept["before"] = own  # no copy

    def overwrite(own, hook):
        own[:, end] = vector
        return own

    with model.hooks(fwd_hooks=[(name, keep), (name, overwrite)]):
        model(corrupted[first])
alias = torch.equal(kept["before"][0, end], vector)
print("what was kept *before* the patch holds the patch:", alias)

# %% [markdown]
# The "activation before the patch" shows the patch. Any later comparison with it is a comparison of a thing with
# itself. Copy (`own.clone()`), as you did in exercise 1.

# %% tags=["numbers"]
assert abs(moved / promised - 1) < 0.1, "the gradient keeps its promise"
assert found["on a copy"].startswith("arrives")
assert found["1. .detach()"] == found["2. torch.no_grad()"] == "None, and no complaint"
assert "leaf Variable" in found["3. in place, into a leaf"]
assert alias

# %% [markdown]
# ## What you found

# %%
plots.table(
    [
        (
            "L20H0 and L23H3 restore together (test)",
            f"{together['test', 'L20H0 and L23H3']:.2f}",
            f"{max(six):.2f} six others, at most",
            "26 heads make up the circuit",
        ),
        (
            "END, entering layer 21",
            f"{stream.restored[21, where['END']]:.2f}",
            f"{control[stranger, 21, 'END']:.2f} from a stranger: no name",
            "",
        ),
        (
            "L20H0 carries a position: order, roles exchanged (logits)",
            f"{effects[ORDER, (20, 0)]:+.1f}, {effects[ROLES, (20, 0)]:+.1f}",
            f"{effects[ORDER, (23, 3)]:+.1f}, {effects[ROLES, (23, 3)]:+.1f} for L23H3",
            "S-inhibition heads: position more than name",
        ),
        (
            "backup: three heads together, sum of each alone",
            f"{backup['test']['all three'][1]:.2f}, {singles:.2f}",
            f"{backup['test']['all three'][0]:.2f} by denoising",
            "backup name movers",
        ),
        (
            "agreement of the directions: logits, probability",
            f"{agree['logit difference']:.2f}, {agree['probability']:.2f}",
            "",
            "logit difference advised (Zhang and Nanda)",
        ),
        (
            "L20H0 to the query of L23H0",
            f"{mover[20, 0]:.2f}",
            f"{paths['query of L23H8 (control)'][20, 0]:.2f} to L23H8",
            "S-inhibition to name movers",
        ),
        (
            "L16H0 to the keys of L17H4 (logits)",
            f"{link[1]:+.1f}",
            f"{link[0]:+.1f}, {link[2]:+.1f} other keys",
            "previous-token to induction heads",
        ),
        (
            "attribution patching: denoising, noising, stream (correlation)",
            f"{fit['denoising']:.2f}, {fit['noising']:.2f}, {stream_fit:.2f}",
            "",
            "fails early in the model (Nanda)",
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
# 2. Two heads restore all of the difference, and the chain behind them has at least three more. Which set is "the
#    circuit"?
# 3. L20H0, patched from a run with the *same* right answer, breaks the answer. What would a study that only uses
#    S2 corruptions say about it?
# 4. **Does localisation say where to edit?** Not by itself. Hase and colleagues (2023) found that where causal
#    tracing points has hardly any bearing on which layer is best to *edit*. What does patching measure, and what
#    does an edit need?
#
# 5. L16H0's clean output harms the number. Which second patch, together with it, should turn the harm into help?
#
# ## Common mistakes
#
# - Patching in the wrong direction: say which run is patched, and which one gives.
# - Reading a share as "how much the head knows": confusion restores as well.
# - Different numbers of tokens in the two prompts. Then positions do not match, and the patch compares nonsense.
# - Scoring the first token of an answer whose first token is a space, or the same in both runs.
# - A hook that changes its activation in place, or keeps it without a copy.
# - A single direction, a single corruption, a single metric, and then the word *the*.
#
# ## Where this breaks
#
# One template chose the heads and one more tested them, always with IO named first: the other order would
# exchange what "first" and "second" mean for L20H0. The corruption table rests on four prompts, and the sweeps on
# four others. A share is relative to *this* corruption. Each patched run mixes two runs, and may be in a state
# that no prompt gives. Activations are patched whole; nothing here says which *direction* in L20H0's output is
# the position.
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
# **Next:** 04 · Finding circuits automatically

# %%
progress.show("03")
