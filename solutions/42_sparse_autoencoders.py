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
# # 4.2 · Sparse autoencoders
#
# [![Open lesson 4.2 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.1 · Superposition](41_superposition.ipynb) | **Next:** [4.3 · Features of a real model](43_features.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. build the three common kinds of sparse autoencoder, and train them on activations of any amount without storing them;
# 2. measure on planted features what they recover, and what they miss, shrink and split;
# 3. read the usual scores of a real one beside controls, and say what these scores do not show.
#
# **Time** two and a half hours. **Needs** lessons 00, 2.1 and 4.1: the residual stream, directions, superposition.
# **Runs** in two to three minutes on a laptop's processor.

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
from bisect import bisect_left
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from utils.features import planted
from utils import plots
from utils.features import sae as saes
from utils.checks import lesson_42
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap
from utils.reading.linear import r_squared
from data.chat.task import texts

# %% [markdown]
# ## Part A. Where the truth is known
#
# ### 1. Which directions?
#
# Lesson 2.1 asked for one direction, for a concept that you chose. Now ask an open question: *which* directions does a model use? The neurons' axes will not do: with superposition (lesson 4.1) there are more features than axes. Nor will principal components (PCA), the directions of most variance: they stand at right angles, so there are at most as many as dimensions.
#
# What else do you know about features? Lesson 4.1 gave a reason to expect that they are **sparse**: few are active at a time. So look for a long list of directions, a **dictionary**, such that *each vector is a sum of few of them*. A **sparse autoencoder** (SAE) is a small network that learns such a list. Its hidden units are called **latents**, so that nobody takes them for the model's features before that is shown.
#
# In a language model nobody can show it. So begin where you can: in a world whose features you planted. Each of 64 features has a random direction in 32 dimensions. Three are active on average, the commonest ten times as often as the rarest. A vector is an offset plus the sum of its active directions, each times a coefficient between `0.5` and `1.5`.

# %% tags=["nbval-check-output"]
D, N_FEATURES, WIDTH = 32, 64, 96  # dimensions, planted features, latents
WORLDS = [
    planted.independent(N_FEATURES, D, active=3, span=10, generator=planted.world_generator(i))
    for i in range(3)
]
example, coefficients = planted.draw(WORLDS[0], 4, generator=planted.world_generator(0))
for row in coefficients:
    print({i: round(row[i].item(), 1) for i in row.nonzero()[:, 0].tolist()})
print("directions", tuple(WORLDS[0].directions.shape), "vectors", tuple(example.shape))

# %% [markdown]
# Each line is one vector: which features are active, and how much. The SAE sees the vectors alone. (There are three worlds, which differ in everything random. Results are means over them.)
#
# ### 2. The first kind: ReLU and a price
#
# The **encoder** takes a bias `b_dec` away from the vector, multiplies by a matrix, adds a bias and applies a ReLU. That gives each latent's activation. The **decoder** adds up the latents' directions, each times its activation, and puts `b_dec` back. So `b_dec` is where all vectors start from, and latents say what is added.
#
# Without a price, such a network copies its input with all latents active. So activity costs something: `l1` times the sum of the activations (the **L1 norm**). Why not the *number* of active latents (**L0**), which is what you want to be small? Because a count has no slope: gradient descent does not know which way is down.
#
# ### Exercise 1 · an autoencoder and its loss (15 minutes, medium)


# %%
def relu_sae(
    x: torch.Tensor,
    W_enc: torch.Tensor,
    b_enc: torch.Tensor,
    W_dec: torch.Tensor,
    b_dec: torch.Tensor,
    *,
    l1: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The activations [n, d_sae], the reconstruction [n, d_in], and the loss (one number).

    The loss is the squared error, summed over dimensions, plus l1 times the summed activations;
    averaged over the n vectors.

    Args:
        x: [n, d_in].
        W_enc: [d_in, d_sae]; b_enc: [d_sae].
        W_dec: [d_sae, d_in], a direction for each latent; b_dec: [d_in].
    """
    ### BEGIN SOLUTION
    acts = ((x - b_dec) @ W_enc + b_enc).relu()
    x_hat = acts @ W_dec + b_dec
    error = (x_hat - x).square().sum(-1)
    return acts, x_hat, (error + l1 * acts.sum(-1)).mean()
    ### END SOLUTION


# %% tags=["check"]
lesson_42.check_relu_sae(relu_sae)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `b_dec` appears twice: taken away before the encoder, added after the decoder. The decoder has no ReLU.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For the loss, first one number for each vector: sum the squared errors and the activations over the last axis. Then the mean.
#
# </details>

# %% [markdown]
# In the library this is `saes.ReLUSAE`. One thing is missing. A latent could make its activation small (cheap) and its direction long, which comes to the same sum. So `saes.train` keeps directions at length 1.
#
# How good is a reconstruction? The usual measure is the **fraction of variance unexplained** (FVU): the squared error, over the squared distance of the vectors from their mean. It is 0 for a copy, and 1 if you always say the mean.
#
# ### Exercise 2 · variance unexplained (10 minutes, easy)


# %%
def unexplained(x: torch.Tensor, x_hat: torch.Tensor) -> float:
    """Squared error over squared distance from the mean vector, all summed; both [n, d_in]."""
    ### BEGIN SOLUTION
    spread = (x - x.mean(0)).square().sum()
    return ((x_hat - x).square().sum() / spread).item()
    ### END SOLUTION


# %% tags=["check"]
lesson_42.check_unexplained(unexplained)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two sums over all numbers, and one division at the end.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The mean is a *vector*: `x.mean(0)`, over the n vectors.
#
# </details>

# %% [markdown]
# And how good is the *dictionary*? For each planted feature, look among the latents that ever fire for the one whose direction comes nearest (the largest cosine). The average is the **mean max cosine**; the share of features above `0.9` is the **recall**. Mind the direction of "max". If you took it for each *latent*, a dictionary with 96 copies of one true feature would be perfect.
#
# ### Exercise 3 · was each feature found? (10 minutes, medium)


# %% tags=["exercise:utils.features.planted.best_cosine"]
def best_cosine(
    true: Float[Tensor, "feature d"], found: Float[Tensor, "latent d"]
) -> Float[Tensor, " feature"]:
    """For each true direction, its largest cosine with a found one.

    Args:
        true: planted directions, of any length.
        found: a dictionary's directions, of any length.
    """
    ### BEGIN SOLUTION
    true, found = (torch.nn.functional.normalize(each, dim=-1) for each in (true, found))
    return (true @ found.T).max(dim=-1).values
    ### END SOLUTION


# %% tags=["check"]
best_cosine = lesson_42.check_best_cosine(best_cosine)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Bring both to length 1, row by row. Then one product gives all cosines, [feature, latent].
#
# </details>
# <details><summary>Hint 2</summary>
#
# The maximum runs over latents, so one value is left for each feature. (`max` along an axis gives values *and* places.) Keep the sign: an opposite direction is another one.
#
# </details>

# %% [markdown]
# Now train one, with 96 latents for 64 features. Three controls:
#
# - a **random dictionary** of the same width. More directions have more chances to be near by luck, so the width must be the same;
# - **PCA**, each component in both signs;
# - the *same training* on **normal** vectors, drawn with the mean and the covariance of the world's. They vary as much in every direction, but no features stand behind them.
#
# (Unless said otherwise, trainings in part A have the settings of `planted.fit`: 1,000 steps of 256 fresh vectors. They were chosen on worlds like these, by recall, which you could not do in a model. The price `0.3` too.)
#
# *Predict first:* how large is the mean max cosine of 96 random directions in 32 dimensions? And does a trained SAE find half of the features, or all?

# %%
KINDS = {  # what makes each sparse: a price, a number (`aux`: see section 5), a price
    "ReLU": lambda width, l1, generator: saes.ReLUSAE(D, width, l1=l1, generator=generator),
    "TopK": lambda width, k, generator: saes.TopKSAE(D, width, k=k, aux=0, generator=generator),
    "JumpReLU": lambda width, l0, generator: saes.JumpReLUSAE(D, width, l0=l0, generator=generator),
}


def in_all(kind: str, width: int, knob: float, worlds=WORLDS, **how) -> list[saes.SAE]:
    """An SAE for each world, trained in it."""
    return planted.fit_in_all(partial(KINDS[kind], width, knob), worlds, **how)


trained = {("ReLU", 0.3): in_all("ReLU", WIDTH, 0.3)}
first = planted.recovery_in_all(trained["ReLU", 0.3], WORLDS)
normal = planted.recovery_in_all(in_all("ReLU", WIDTH, 0.3, without_features=True), WORLDS)
generator = torch.Generator().manual_seed(900)
dictionaries = {
    "random dictionary": [torch.randn(WIDTH, D, generator=generator) for _ in WORLDS],
    "PCA, both signs": [planted.components(world) for world in WORLDS],
}
cosines = {"ReLU SAE": first.cosine, "same, normal vectors": normal.cosine}
for name, each in dictionaries.items():  # [world, feature]
    pairs = zip(WORLDS, each, strict=True)
    cosines[name] = torch.stack([planted.best_cosine(w.directions, found) for w, found in pairs])
plots.bars(
    {name: each.mean().item() for name, each in cosines.items()},
    dots={name: each.mean(1).tolist() for name, each in cosines.items()},
    title="A trained SAE finds the planted directions; the controls do not",
    y="mean max cosine (dots: worlds)",
)

# %% [markdown]
# The mean max cosine is **0.993**, and the recall **0.99** (the lowest of the three worlds: **0.97**). A random dictionary of the same width has a cosine of **0.43**, PCA **0.47**, and the same training on normal vectors **0.52**. (Their recall is 0. That says little, for at `0.9` no chance direction passes in 32 dimensions: the cosine is the fair comparison.) So training alone finds no such directions, and knowing the covariance helps little: there must be sparse structure in the vectors.
#
# This is a kind world: sparse, no noise, plenty of vectors (256 thousand). It shows what is possible, and not what happens in a model.

# %% tags=["numbers"]
claim("mean max cosine", first.cosine.mean(), text=0.993, within=0.006)
claim("recall", first.recall, text=0.99, within=0.02)
claim("recall, lowest world", min(first.recalls), text=0.97, within=0.035)
claim("random", cosines["random dictionary"].mean(), text=0.43, within=0.01)
claim("PCA", cosines["PCA, both signs"].mean(), text=0.47, within=0.01)
claim("normal vectors", normal.cosine.mean(), text=0.52, within=0.02)
assert max(each.max() for name, each in cosines.items() if name != "ReLU SAE") < planted.RECALLED

# %% [markdown]
# ### 3. Two more kinds
#
# L1 charges for *size*, though you want to charge for *number*. Two later kinds avoid that.
#
# **TopK** (Gao and colleagues, 2024) has no price at all: for each vector it keeps the k largest activations. L0 is chosen instead of tuned.
#
# ### Exercise 4 · TopK (10 minutes, medium)


# %%
def top_k(pre: torch.Tensor, k: int) -> torch.Tensor:
    """Of `pre` [..., d_sae] each vector's k largest, those above 0, in place; 0 elsewhere."""
    ### BEGIN SOLUTION
    values, chosen = pre.topk(k, dim=-1)
    return torch.zeros_like(pre).scatter(-1, chosen, values.relu())
    ### END SOLUTION


# %% tags=["check"]
lesson_42.check_top_k(top_k)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `pre.topk(k, dim=-1)` gives values and where they were. Which axis is the latents'?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `zeros.scatter(-1, places, values)` gives back the zeros with these values at these places of the last axis. And what if fewer than k are above 0?
#
# </details>

# %% [markdown]
# (In the library: `saes.TopKSAE`.) **JumpReLU** (Rajamanoharan and colleagues, 2024) has a threshold for each latent, which is learned. What lies above it passes as it is; the rest is 0.
#
# ### Exercise 5 · JumpReLU (5 minutes, easy)


# %%
def jump_relu(pre: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """What of `pre` [..., d_sae] lies above its latent's threshold [d_sae]; 0 elsewhere."""
    ### BEGIN SOLUTION
    return pre * (pre > threshold)
    ### END SOLUTION


# %% tags=["check"]
lesson_42.check_jump_relu(jump_relu)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two cases, and no sum. Which comparison tells them apart?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `pre - threshold` has the right sign, and the wrong size: what passes keeps its value.
#
# </details>

# %% [markdown]
# What it pays for is the number itself: the price, called `l0` in the code, times the number of active latents (L0). But a count has no slope for the thresholds to follow. The way out is a **straight-through estimator**: going forward, count; going backward, pretend. Suppose that a threshold rose a little. Then the latent would fall silent on the vectors whose pre-activation lies *just above* it. So their share, in a narrow window around the threshold, stands in for the slope. (`saes.JumpReLUSAE` does this. The price moves thresholds alone, not the encoder's weights.)
#
# Each kind has one knob: the price `l1`, the number k, the price `l0`. Turn it, in three worlds. (You know that three features are active on average, so you can give TopK the right k. In a model nobody can.) *Predict first:* of all these, will the SAE with the best reconstruction have the best directions?

# %%
KNOBS = {"ReLU": (0.02, 0.06, 0.1, 0.3, 0.9), "TopK": (3, 6, 14), "JumpReLU": (0.003, 0.02)}
for kind, knob in [(kind, knob) for kind, knobs in KNOBS.items() for knob in knobs]:
    trained[kind, knob] = trained.get((kind, knob)) or in_all(kind, WIDTH, knob)
swept = {each: planted.recovery_in_all(found, WORLDS) for each, found in trained.items()}
sparse, jump = swept["TopK", 3], swept["JumpReLU", 0.02]
by_error = sorted(swept, key=lambda each: swept[each].unexplained)
label = {  # what stands under the bars
    each: f"{each[0]}<br>FVU {f'{found.unexplained:.2f}'[1:]}<br>L0 {found.l0:.1f}"
    for each, found in swept.items()
}
plots.bars(
    {label[each]: swept[each].recall for each in by_error},
    dots={label[each]: swept[each].recalls for each in by_error},
    kinds={label[each]: each[0] for each in by_error},
    title="The three best reconstructions (left) have the worst directions",
    y="recall of planted features",
).update_xaxes(tickangle=0)

# %% [markdown]
# - Each kind has a setting at which it finds nearly all features: a recall of **0.99** for ReLU (`0.3`), **0.92** for TopK (3), **0.96** for JumpReLU (`0.02`). With three worlds these cannot be ranked.
# - The three best reconstructions leave at most **0.03** of the variance, and have the worst directions: recalls of **0.14** and less. One of each kind is among them. L0 is much too high in all three: **13.8** to **38** latents are active where 3 features are. With so many in 32 dimensions you can rebuild a vector in many ways.
# - But L0 alone does not decide. TopK with twice too many (6) still has **0.96**. ReLU has **0.88** with an L0 of **10.4**, and **0.65** with **17.4**, which is more than TopK's 14. A price on *size* singles out directions here where a limit or a price on *number* does not.
#
# So **a good FVU says little about the directions**, and in a model nobody knows the right L0. Keep that in mind in part B.

# %% tags=["numbers"]
loose = by_error[:3]
claim("recall, TopK", sparse.recall, text=0.92, within=0.05)
claim("recall, JumpReLU", jump.recall, text=0.96, within=0.03)
assert {kind for kind, _ in loose} == set(KNOBS)
claim("FVU, worst of three", swept[loose[2]].unexplained, text=0.03, within=0.004)
claim("recall, best of three", max(swept[each].recall for each in loose), text=0.14, within=0.07)
l0s = [swept[each].l0 for each in loose]
claim("L0, lowest of three", min(l0s), text=13.8, within=0.2)
claim("L0, highest of three", max(l0s), text=38, within=2)
claim("recall, TopK 6", swept["TopK", 6].recall, text=0.96, within=0.04)
claim("recall, ReLU 0.1", swept["ReLU", 0.1].recall, text=0.88, within=0.05)
claim("L0, ReLU 0.1", swept["ReLU", 0.1].l0, text=10.4, within=0.6)
claim("recall, ReLU 0.06", swept["ReLU", 0.06].recall, text=0.65, within=0.08)
claim("L0, ReLU 0.06", swept["ReLU", 0.06].l0, text=17.4, within=1)
others = [found.recall for each, found in swept.items() if each not in loose]
assert min(others) > 0.5 > 0.3 > max(swept[each].recall for each in loose)

# %% [markdown]
# ### 4. Shrinkage
#
# L1 charges for size, so a ReLU SAE makes its activations smaller than it should: **shrinkage**. How would you see that in a model, where no true coefficients are known? Ask whether *the same reconstruction, made longer*, would be better. Take vectors `x` and reconstructions `y`, both from the mean of `x`. The **output scale** is `sum(y * y) / sum(x * y)`. At 1, neither a longer nor a shorter `y` would have a smaller error. Below 1, a longer one would: it has shrunk.
#
# ### Exercise 6 · the output scale (10 minutes, medium)


# %% tags=["exercise:utils.features.planted.output_scale"]
def output_scale(x: Float[Tensor, "n d"], x_hat: Float[Tensor, "n d"]) -> float:
    """Squares of `x_hat` over its products with `x`, both summed, and both from the mean of `x`.

    Below 1 the reconstruction has shrunk: all of it could be multiplied by one number above 1, and
    the error would fall. Source: arXiv 2404.16014, "relative reconstruction bias".
    """
    ### BEGIN SOLUTION
    mean = x.mean(0)
    x, x_hat = x - mean, x_hat - mean
    return (x_hat.square().sum() / (x_hat * x).sum()).item()
    ### END SOLUTION


# %% tags=["check"]
output_scale = lesson_42.check_output_scale(output_scale)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Take the mean vector of `x` away from *both*.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Both sums run over all numbers, vectors and dimensions, before you divide.
#
# </details>

# %% [markdown]
# *Predict first:* which kinds shrink?
#
# And is an *activation* the coefficient? Here you can look. "Activation size" is the mean activation of a found feature's latent over its mean true coefficient, where both are active. The last column keeps each vector's active latents and chooses their activations anew, as well as possible (least squares).

# %%
shown = [("ReLU", 0.1), ("ReLU", 0.3), ("ReLU", 0.9), ("TopK", 3), ("JumpReLU", 0.02)]
sizes = {each: planted.sizes_in_all(trained[each], WORLDS) for each in shown}
plots.table(
    [
        (" ".join(map(str, each)), *(f"{value:.2f}" for value in (swept[each].scale, *sizes[each])))
        for each in shown
    ],
    columns=["kind, knob", "output scale", "activation size", "chosen anew"],
)

# %% [markdown]
# ReLU's output scale goes from **0.91** to **0.37** as its price goes up. TopK's and JumpReLU's are 1 to the second digit, at every setting. That must be so wherever size costs nothing: the error alone then decides how long the output is. So a scale of 1 is no praise. The SAEs that found few of the features have it too.
#
# Activations are too small in all three kinds: ReLU's (`0.3`) by far, with **0.58** of the coefficient, but TopK has **0.93** and JumpReLU **0.90** too. Chosen anew they come to **0.90**, **0.98** and **0.97**. So for these three it is mostly not the directions: the encoder, one matrix and a bias, reads the coefficients low. (ReLU at `0.1` comes to no more than **0.80**.) These are means over hits: where the latent is silent, all is lost.

# %% tags=["numbers"]
claim("scale, ReLU 0.1", swept["ReLU", 0.1].scale, text=0.91, within=0.015)
claim("scale, ReLU 0.9", swept["ReLU", 0.9].scale, text=0.37, within=0.03)
assert max(abs(each.scale - 1) for (kind, _), each in swept.items() if kind != "ReLU") < 0.005
claim("size, ReLU", sizes["ReLU", 0.3][0], text=0.58, within=0.02)
claim("size, TopK", sizes["TopK", 3][0], text=0.93, within=0.02)
claim("size, JumpReLU", sizes["JumpReLU", 0.02][0], text=0.90, within=0.02)
claim("chosen anew, ReLU", sizes["ReLU", 0.3][1], text=0.90, within=0.015)
claim("chosen anew, ReLU 0.1", sizes["ReLU", 0.1][1], text=0.80, within=0.02)
claim("chosen anew, TopK", sizes["TopK", 3][1], text=0.98, within=0.01)
claim("chosen anew, JumpReLU", sizes["JumpReLU", 0.02][1], text=0.97, within=0.012)

# %% [markdown]
# ### 5. Dead latents, and how to wake them
#
# A **dead** latent never fires. Then it gets no gradient either, and so usually stays dead. Some dead latents are just surplus: 96 latents for 64 features must leave some idle. It is an illness when features are still missing.
#
# TopK SAEs are treated with an auxiliary loss, **AuxK**. Take what the living latents left over, the error. Among the *dead* latents, take the k with the largest pre-activations (a k of its own: the library takes half of the dimensions), and let *them* reconstruct the error. The loss is how badly they do it.
#
# ### Exercise 7 · a loss for the dead (15 minutes, hard)


# %%
def dead_loss(
    error: torch.Tensor, pre: torch.Tensor, dead: torch.Tensor, W_dec: torch.Tensor, *, k: int
) -> torch.Tensor:
    """Squared error with which the k likeliest dead latents make the error; mean over vectors.

    Args:
        error: vector minus reconstruction, [n, d_in].
        pre: pre-activations of all latents, [n, d_sae].
        dead: True for dead latents, [d_sae]; at least k of them.
        W_dec: [d_sae, d_in].
    """
    ### BEGIN SOLUTION
    among = pre.masked_fill(~dead, -float("inf"))
    values, chosen = among.topk(k, dim=-1)
    acts = torch.zeros_like(pre).scatter(-1, chosen, values.relu())
    return (error - acts @ W_dec).square().sum(-1).mean()
    ### END SOLUTION


# %% tags=["check"]
lesson_42.check_dead_loss(dead_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The choice is that of exercise 4, but the living must lose it. Which value never wins a top-k?
#
# </details>
# <details><summary>Hint 2</summary>
#
# No `b_dec` here: the error starts from zero. If you choose among the dead alone, mind whose places you got: those among the dead, or among all?
#
# </details>

# %% [markdown]
# Plant the illness: 64 latents for 64 features, but half of the latents start with an encoder bias of `-0.7`, so that others always win. The worlds are new, and more unequal: the commonest feature is 30 times as frequent as the rarest. (The bias is not lower, for AuxK too needs a pre-activation above zero *somewhere*, or there is no gradient. The auxiliary loss counts 1/32, as in the paper; a latent is dead after 50 silent steps.)
#
# *Predict first:* will the dead wake up, and will they find features? And does a *healthy* start need the treatment?

# %%
UNEQUAL = [
    planted.independent(N_FEATURES, D, active=3, span=30, generator=planted.world_generator(10 + i))
    for i in range(3)
]


def top_three(width: int, aux: float, *, bias: float = 0.0, worlds=UNEQUAL, **how):
    """TopK SAEs, half of whose latents start with this bias; what they recover."""

    def make(generator: torch.Generator) -> saes.SAE:
        sae = saes.TopKSAE(D, width, k=3, aux=aux, generator=generator)
        sae.b_enc.data[width // 2 :] = bias
        return sae

    return planted.recovery_in_all(planted.fit_in_all(make, worlds, **how), worlds)


AUX = 1 / 32
cared = {
    (start, aux): top_three(64, weight, bias=bias)
    for start, bias in (("healthy start", 0.0), ("half start dead", -0.7))
    for aux, weight in (("no AuxK", 0.0), ("AuxK", AUX))
}
healthy, healthy_aux = cared["healthy start", "no AuxK"], cared["healthy start", "AuxK"]
plots.table(
    [
        (*case, *(f"{n:.2f}" for n in (found.dead, found.recall, *found.recalls)))
        for case, found in cared.items()
    ],
    columns=["64 latents", "", "dead at the end", "recall", *("in one world",) * 3],
)

# %% [markdown]
# Without help **0.49** stay dead, so that about half of the features is the most that could be found: the recall is **0.46**. With AuxK **0.21** are dead at the end, and the recall is **0.70**.
#
# Even from a healthy start (`b_dec` at the mean of the vectors, the encoder as the decoder's transpose, as `utils.features.sae` does) **0.23** die, though there are as many latents as features. The recall is **0.72**, and with AuxK **0.77**: higher in each of the three worlds. So AuxK is for ordinary trainings too. (Another treatment, **resampling**, gives dead latents new directions, those of badly reconstructed vectors.)

# %% tags=["numbers"]
ill, treated = cared["half start dead", "no AuxK"], cared["half start dead", "AuxK"]
claim("dead, untreated", ill.dead, text=0.49, within=0.03)
claim("recall, untreated", ill.recall, text=0.46, within=0.04)
claim("dead, AuxK", treated.dead, text=0.21, within=0.06)
claim("recall, AuxK", treated.recall, text=0.70, within=0.06)
claim("dead, healthy", healthy.dead, text=0.23, within=0.05)
claim("recall, healthy", healthy.recall, text=0.72, within=0.05)
claim("recall, healthy, AuxK", healthy_aux.recall, text=0.77, within=0.05)
assert min(treated.recalls) > max(ill.recalls)
assert all(a > b for a, b in zip(healthy_aux.recalls, healthy.recalls, strict=True))

# %% [markdown]
# ### 6. Does a big enough SAE find all features?
#
# You never know how many features there are. In the same worlds, vary the width from a quarter of the number of features to four times that number. *Predict first:* what does an SAE with 16 latents do with 64 features: keep 16 of them, or mix all?

# %%
WIDTHS = (16, 64, 128, 256)
by_width = {width: healthy if width == 64 else top_three(width, 0.0) for width in WIDTHS}
wide_aux = top_three(128, AUX)
longer, longer_aux = (top_three(64, aux, worlds=UNEQUAL[:1], steps=4000) for aux in (0.0, AUX))
quarters = torch.stack(
    [planted.by_quarter(each.cosine) for each in by_width.values()]
)  # [width, quarter]
names = ("commonest quarter", "second quarter", "third quarter", "rarest quarter")
plots.lines(
    {name: quarters[:, i].tolist() for i, name in enumerate(names)},
    at=[f"{width} latents" for width in WIDTHS],
    title="A narrow SAE keeps the common features and misses the rare ones",
    x="there are 64 features (TopK 3, no AuxK)",
    y="recall",
)

# %% [markdown]
# With 16 latents it recalls **0.79** of the commonest quarter, and at most **0.06** of any other: it keeps the common ones. With as many latents as features it misses most of the rarest quarter: recall **0.12**, against **1.0** for the commonest. At 128 it is **0.56**, at 256 **0.90**. So width helps, at a cost: of 256 latents, **0.71** are dead.
#
# But 64 latents have room for all. Neither longer training (one world: **0.19** after 1,000 steps and after 4,000) nor AuxK alone (**0.21**, all three worlds) finds the rare ones. Both together come to **0.62** in that one world, and 128 latents with AuxK to **0.96** (all three). So here "big enough" means enough *living* latents: by AuxK or by spare ones, and sometimes by patience.
#
# Could you tell in a model? From 128 to 256 latents the FVU went from **0.152** to **0.144**, while the rarest quarter's recall went from **0.56** to **0.90**. A rare feature is little variance. And how many features a model has, and how rare, nobody knows. This toy had as many vectors as it asked for.

# %% tags=["numbers"]
claim("16 latents, commonest", quarters[0, 0], text=0.79, within=0.08)
claim("16 latents, others", quarters[0, 1:].max(), text=0.06, within=0.06)
claim("64 latents, rarest", quarters[1, 3], text=0.12, within=0.09)
claim("64 latents, commonest", quarters[1, 0], text=1.0, within=0.03)
claim("128 latents, rarest", quarters[2, 3], text=0.56, within=0.12)
claim("256 latents, rarest", quarters[3, 3], text=0.90, within=0.09)
claim("256 latents, dead", by_width[256].dead, text=0.71, within=0.03)
claim("one world, 1,000 steps", planted.by_quarter(healthy.cosine[:1])[3], text=0.19, within=0.13)
claim("one world, 4,000 steps", planted.by_quarter(longer.cosine)[3], text=0.19, within=0.13)
claim(
    "64 latents with AuxK, rarest", planted.by_quarter(healthy_aux.cosine)[3], text=0.21, within=0.1
)
claim(
    "one world, AuxK, 4,000 steps", planted.by_quarter(longer_aux.cosine)[3], text=0.62, within=0.2
)
claim(
    "128 latents with AuxK, rarest", planted.by_quarter(wide_aux.cosine)[3], text=0.96, within=0.06
)
claim("128 latents, FVU", by_width[128].unexplained, text=0.152, within=0.004)
claim("256 latents, FVU", by_width[256].unexplained, text=0.144, within=0.003)

# %% [markdown]
# ### 7. Splitting
#
# So far features came and went independently. Real ones hang together: *animal*, and then *dog* or *cat*. Plant six **parents** with four **children** each. A child never comes without its parent. A parent is alone in a quarter of its cases; otherwise exactly one child is there. All coefficients are drawn on their own. There are 30 true directions, and four things a latent could stand for: a parent; a parent with *one* child (there are 24 such pairs); a child by itself; or a parent *with an average child*, the mean of all vectors of a family.
#
# Train at three widths, in four worlds. For each latent ask which of these it is nearest to (with a cosine above `0.9`). *Predict first:* what will 6 latents stand for? And 24, and 48?

# %%
PARENTS, CHILDREN, NARROW_TO_WIDE = 6, 4, (6, 24, 48)
FAMILIES = [
    planted.families(PARENTS, CHILDREN, D, active=1.2, generator=planted.world_generator(i))
    for i in range(4)
]
split = {
    f"ReLU, {width} latents": in_all("ReLU", width, 0.3, FAMILIES) for width in NARROW_TO_WIDE
} | {"JumpReLU, 48 latents": in_all("JumpReLU", 48, 0.02, FAMILIES)}
split = {name: planted.families_in_all(found, FAMILIES) for name, found in split.items()}
(at_6, fires_6), (at_24, fires_24), (at_48, fires_48), (jumping, fires_jump) = split.values()
plots.table(
    [
        (name, *(f"{n:.1f}" for n in counts.values()))
        + tuple(f"{share:.2f}".replace("nan", "") for share in fires.values())
        for name, (counts, fires) in split.items()
    ],
    columns=["latents nearest to:", *at_6, "parent's latent fires: alone", "with a child"]
    + ["of these, parent's larger", "child's larger", "pair's latent fires"],
)

# %% [markdown]
# (Larger: by `0.3` or more, of coefficients between `0.5` and `1.5`. Blank: fewer than half of the parents, or pairs, have a latent.)
#
# - **6 latents:** **6.0** of them stand for a family, that is a parent with its average child.
# - **24 latents:** **21.8** stand for a pair. The feature *animal* has **split** into *animal, dog* and *animal, cat*. Few stand for a parent, and none for a child by itself.
# - **48 latents:** pairs remain, and parents have latents of their own again (**8.0** on average, some twice; others are near none of these). Hardly one stands for a child (**0.5**), though a child's coefficient has nothing to do with its parent's.
#
# So at 48 you could find a latent that points along *animal*. Does it say *animal*? It fires on **0.99** of the vectors with the parent alone, and on **0.66** of those with a child. The pair's latent always fires (**1.00**). The parent's only adds what the pair leaves of the parent: so it fires on **0.99** where the parent's coefficient is the larger one, and on **0.08** where the child's is. A latent that seems to mean *animal* is silent on a third of the dogs and cats. (How many depends on how the coefficients are drawn: here both alike.) This is **absorption** (Chanin and colleagues, 2024). At 6 latents the family's latent fires on **0.98** of them.
#
# Does it need L1? A JumpReLU SAE at the price that worked above has the parents too, and **12.0** latents for children by themselves, and fewer for pairs. Its parents' latents fire on **0.85** of the vectors with a child, and on **0.56** where the child's coefficient is larger. So it absorbs less, but it still does.
#
# *Which* features you find depends on width, kind and price. If "animal" is what you care about, a wider SAE may be worse. Lesson 4.3 looks for this in SmolLM2.

# %% tags=["numbers"]
pair, family = "parent + one child", "parent + average child"
claim("6 latents, families", at_6[family], text=6.0, within=0.5)
claim("24 latents, pairs", at_24[pair], text=21.8, within=1)
assert at_24["parent"] < 3 and at_24["child"] < 0.1
claim("48 latents, parents", at_48["parent"], text=8.0, within=1.2)
claim("48 latents, children", at_48["child"], text=0.5, within=0.6)
claim("48 latents, fires alone", fires_48["alone"], text=0.99, within=0.01)
claim("48 latents, fires with a child", fires_48["with a child"], text=0.66, within=0.03)
claim("48 latents, parent's larger", fires_48["larger"], text=0.99, within=0.01)
claim("48 latents, child's larger", fires_48["smaller"], text=0.08, within=0.03)
claim("48 latents, the pair's", fires_48["pair"], text=1.00, within=0.01)
claim("6 latents, fires with a child", fires_6["with a child"], text=0.98, within=0.015)
claim("JumpReLU, children", jumping["child"], text=12.0, within=2.5)
claim("JumpReLU, fires with a child", fires_jump["with a child"], text=0.85, within=0.04)
claim("JumpReLU, child's larger", fires_jump["smaller"], text=0.56, within=0.08)
assert jumping["parent"] > 5.4 and at_48[pair] > 24 and jumping[pair] < 15

# %% [markdown]
# ## Part B. SmolLM2, layer 15
#
# ### 8. Must I store terabytes? Is 6 GB of GPU enough?
#
# SAEs of big models are trained on billions of tokens. One vector of SmolLM2 takes 576 numbers of two bytes. A billion tokens would be `1.2` TB, and of a model with 8,192 dimensions `16` TB.
#
# You need not store them. An SAE reads each vector once or a few times, in any order. So **stream**: take as many texts as fit into a *budget*, run the model on them, shuffle the vectors, train on them, throw them away, and take the next texts. The budget sets how well the vectors are shuffled; it has nothing to do with how many you train on. `saes.Activations` does this, and `data/sae/make.py` goes on where it was killed.
#
# And the GPU? Training keeps four numbers of four bytes for each weight: the weight, its gradient, and the two running averages that Adam holds, of the gradient and of its square. That is `16 * 2 * d_model * width` bytes: `0.08` GB for SmolLM2 and 4,608 latents, so 6 GB are plenty here, and `4.8` GB for 2,304 dimensions and 65,536 latents, for which you would harvest to disk, unload the model, train, and begin again.
#
# Now do it. The texts are SmolLM2's own: answers to requests of many kinds, and stories (`data/chat`, `data/stories`). The test texts are about subjects that no training text was asked about. Layer 15 means what block 15 *reads*. BOS is left out. The budget here is 8 MB, a third of what the vectors would need.

# %%
model = load()
cfg, LAYER = model.cfg, 15
fast = saes.bfloat16_is_faster()
harvest = partial(saes.harvest, model, layer=LAYER)
train_rows, held_out = texts("train"), texts("held_out")
test_rows = [row for row in held_out if len(row) >= 16][:30]
order = torch.randperm(len(train_rows), generator=torch.Generator().manual_seed(0))
some = [train_rows[i] for i in order[:230].tolist()]
n_tokens = sum(map(len, some))
stream = saes.Activations(
    partial(harvest, bfloat16=fast), some, d_in=cfg.d_model, batch_size=256, budget=8 * 2**20
)
x_test = harvest(test_rows)
text_of = [i for i, row in enumerate(test_rows) for _ in range(len(row))]
print(f"{n_tokens:,} tokens to train on need {n_tokens * cfg.d_model * 2 / 1e6:.0f} MB;")
print(f"at once there are at most {stream.chunk_size:,}. For testing: {len(x_test):,} tokens.")

# %% [markdown]
# Train a small one, of 1,152 latents, once through these texts. (The course also ships one that saw many more: section 9.) Measure the FVU on the test texts on the way. (There are few steps. So the learning rate is higher than usual, its **warm-up**, in which it rises from 0, is shorter, and a latent counts as dead after 20 silent steps. `coarse` chooses the 32 in bfloat16 where the processor is faster at that; activations stay exact.)

# %%
small = saes.TopKSAE(cfg.d_model, 1152, k=32, coarse=fast).to(cfg.device)
small.b_dec.data.copy_(stream.mean / stream.scale)
STEPS = n_tokens // 256 - 5  # the last vectors of a chunk may not fill a batch
curve, kept = [], []


def batches(step: int) -> torch.Tensor:
    if step % 20 == 0:
        curve.append(1 - saes.quality(small, x_test / stream.scale).explained)
    x = stream[step]
    if step % 2 == 0:
        kept.append(x)  # for the references below
    return x


saes.train(small, batches, steps=STEPS, lr=3e-3, warmup=10, scale=stream.scale, dead_after=20)


@torch.no_grad()
def fvu_of(reconstruct) -> float:
    """The FVU on the test texts that is left by an SAE or another reconstruction."""
    parts = [reconstruct(part.to(cfg.device)).cpu() for part in x_test.split(2048)]
    return 1 - r_squared(torch.cat(parts), x_test)


curve.append(fvu_of(small))

# %% [markdown]
# Three references describe each vector by 32 numbers too. Here they learn from every other batch:
#
# - **PCA with 32 components**. (It needs the mean and the covariance, which can be streamed too, as running sums.)
# - A **random dictionary**: for each vector, of random directions those 32 whose products with it are largest in size, with the best weights for these 32.
# - **Training vectors as directions**: the same, but each direction leads from the mean to one training vector. It knows where vectors lie, and no training is needed.

# %%
some_vectors = torch.cat(kept)
mean = some_vectors.mean(0)
untrained = partial(saes.random_dictionary, some_vectors, k=32)
pca_32 = saes.pca(some_vectors, 32)
fvu = {"SAE, 32 of 1,152": curve[-1], "PCA, 32 components": fvu_of(pca_32)}
fvu["random, 32 of 1,152"] = fvu_of(untrained(1152))
fvu["vectors, 32 of 1,152"] = fvu_of(untrained(1152, of_vectors=True))
plots.lines(
    {name: curve if "SAE" in name else [value] * len(curve) for name, value in fvu.items()},
    at=[*range(0, STEPS, 20), STEPS],
    title="Fewer than a hundred steps beat PCA, but barely beat training vectors",
    x="training steps of 256 vectors",
    y="FVU on held-out subjects",
)

# %% [markdown]
# After one pass the FVU is **0.41**. PCA leaves **0.59**, the random dictionary **0.73**. But training vectors as directions leave **0.44**, with no training at all. So beating PCA is easy: it is enough to know where vectors lie.
#
# Before you trust a share of variance, look at the vectors: some may be enormous. Their place is known from other models: the first tokens of a text. So take the first token of each of 1,000 training texts, and of all held-out texts. Hold them against BOS.

# %%
starts = [row[:1] for row in train_rows if len(row)][:1000] + [row[:1] for row in held_out]
x_start = harvest(starts)
length = x_start.norm(dim=1)
_, cache = model.run_with_cache(torch.tensor([[model.tokenizer.bos_token_id]]))
bos = cache["resid_pre", LAYER][0, 0].cpu()
like_bos = F.cosine_similarity(x_start, bos, dim=1)
massive = length > 1000
for i in length.topk(3).indices.tolist():
    print(f"{length[i]:>6.0f} {model.to_string(starts[i])!r}, cosine with BOS {like_bos[i]:.3f}")
print(f"median length {length.median():.0f}; BOS {bos.norm():,.0f}")
spread = (x_test - x_test.mean(0)).square().sum(1)
weight = (length.max().square() / spread.median()).item()

# %% [markdown]
# **12** of the 1,000 are above `1000`, and **1** of the **384** held-out ones. Their cosine with BOS is at least **0.94**: the model gives these first words nearly the direction of BOS's vector.
#
# The squared length of the longest is **60,000** times the median squared distance of a test vector from the mean. One such vector would decide any FVU. Our 30 test texts have none, which at this rate is no surprise; and `saes.Activations` drops vectors longer than three times the median, so that SAEs here never saw one. Always look.

# %% tags=["numbers"]
claim("short SAE, FVU", curve[-1], text=0.41, within=0.03)
claim("PCA 32, FVU", fvu["PCA, 32 components"], text=0.59, within=0.01)
claim("random dictionary, FVU", fvu["random, 32 of 1,152"], text=0.73, within=0.01)
claim("vectors, FVU", fvu["vectors, 32 of 1,152"], text=0.44, within=0.01)
claim("massive first tokens, training", massive[:1000].sum(), text=12, within=0)
claim("massive first tokens, held out", massive[1000:].sum(), text=1, within=0)
claim("held-out texts", len(x_start) - 1000, text=384, within=0)
claim("cosine with BOS, lowest", like_bos[massive].min(), text=0.94, within=0.01)
claim("the longest, in typical vectors", weight, text=60_000, within=3000)
assert x_test.norm(dim=1).max() < 1000

# %% [markdown]
# ### 9. The shipped SAE, and its format
#
# The course ships a TopK SAE for this place: 4,608 latents (eight times `d_model`), 32 active. `data/sae/make.py` made it, with the same functions. It is kept as the library **SAELens** keeps its own: a `cfg.json` and a file of weights. So `SAE.load_from_disk(folder)` of SAELens opens it, and `saes.load_sae(folder)` opens SAEs that SAELens saved, if they are of one of the three kinds. (`tests/features/test_sae.py` compares the activations of both, in both directions.) What you train, you write with `saes.save_sae(small, folder, model_name=..., hook_name=...)`.

# %%
SHIPPED = root / "data" / "sae" / "smollm2"
sae = saes.load_sae(SHIPPED, device=cfg.device)
config = json.loads((SHIPPED / "cfg.json").read_text())
report = json.loads((SHIPPED / "report.json").read_text())
print({key: config[key] for key in ("architecture", "d_in", "d_sae", "k", "metadata")})

# %% [markdown]
# How good is it? L0 and FVU on the 30 test texts, beside the controls. *Predict first:* how many components would PCA need to explain as much?

# %%
found = saes.quality(sae, x_test)
with torch.no_grad():
    x_hat = torch.cat([sae(part.to(cfg.device)).cpu() for part in x_test.split(2048)])
missed = (x_hat - x_test).square().sum(1)
fvu_range = bootstrap(missed, groups=text_of, over=spread)  # whole texts are drawn anew
target = 1 - found.explained  # how many components leave as little?
n_equal = 1 + bisect_left(
    range(1, cfg.d_model), -target, key=lambda n: -fvu_of(saes.pca(some_vectors, n))
)
controls = {
    "vectors, 32 of 4,608": untrained(sae.d_sae, of_vectors=True),
    f"PCA, {n_equal} components": saes.pca(some_vectors, n_equal),
    "PCA, 32 components": pca_32,
    "random, 32 of 4,608": untrained(sae.d_sae),
}
fvu = {"SAE, 32 of 4,608": target} | {
    name: fvu_of(reconstruct) for name, reconstruct in controls.items()
}
figure = plots.bars(
    {name.replace(", ", "<br>"): value for name, value in fvu.items()},
    intervals={"SAE<br>32 of 4,608": fvu_range},
    title=f"PCA needs {n_equal} components to leave as little as the SAE with 32 latents",
    y="FVU on held-out subjects",
)
ends = figure.data[0].error_y
alone = {"array": ends.array[:1], "arrayminus": ends.arrayminus[:1]}  # the SAE's
figure.update_traces(error_y=alone)

# %% [markdown]
# It leaves **0.15** of the variance (**0.14** to **0.16**, 95% interval over texts), with **32.0** latents active. PCA with 32 components leaves **0.59**, and needs **197** of them to do as well. A random dictionary leaves **0.66**, and training vectors as directions **0.34**: that is what training had to beat. (On the larger held-out set of `report.json` it is **0.149**. There **5** vectors longer than three times the median were left out: a bar at about half of the `1000` above.)
#
# Mind that 32 against 197 is not six times less. PCA's directions are the same for every vector; *which* 32 of 4,608 the SAE chose must be told too.

# %% tags=["numbers"]
claim("FVU", 1 - found.explained, text=0.15, within=0.006)
claim("FVU, low", fvu_range[0], text=0.14, within=0.006)
claim("FVU, high", fvu_range[1], text=0.16, within=0.006)
claim("FVU, report", 1 - report["explained"]["sae"], text=0.149, within=0.0006)
left_out = report["of these much too long, left out of the variance"]
claim("too long in the report", left_out, text=5, within=0)
assert 400 < 3 * x_test.norm(dim=1).median() < 600
claim("L0", found.l0, text=32.0, within=0.05)
claim("components for the same FVU", n_equal, text=197, within=6)
claim("random dictionary", fvu["random, 32 of 4,608"], text=0.66, within=0.01)
claim("vectors as directions", fvu["vectors, 32 of 4,608"], text=0.34, within=0.01)
assert fvu_range[1] < fvu["vectors, 32 of 4,608"]

# %% [markdown]
# ### 10. How often does each latent fire?
#
# The **density** of a latent is the share of tokens on which it fires. On average it is 32 / 4608, or `0.7`%. A latent that fires nearly always is no sparse feature, and one that never fires is dead.

# %%
random_density = saes.random_density(some_vectors, sae.d_sae, k=32, on=x_test)


def by_density(density: Tensor) -> dict[str, float]:
    """The share of latents in each range of density, about half a power of ten wide."""
    edges = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 1]
    counts = torch.bucketize(density, torch.tensor(edges)).bincount(minlength=len(edges))
    names = ["never", *(f"to {edge:.1%}" for edge in edges[1:-1]), f"above {edges[-2]:.0%}"]
    return dict(zip(names, (counts / len(density)).tolist(), strict=True))


shares, random_shares = (by_density(each) for each in (found.density, random_density))
plots.bars(
    shares,
    dots={name: [value] for name, value in random_shares.items()},
    kinds=dict.fromkeys(shares, "SAE"),
    title="The SAE has common and rare latents; random directions (circles) fire alike",
    y="share of the latents",
)

# %% [markdown]
# On these 3,105 tokens **0.17** of the latents never fire. On the 39,464 of `report.json` it is **0.0145**. "Dead" depends on how many tokens you look at: a latent that never fires on a few thousand may just be rare. The most frequent latent fires on **0.51** of the tokens: hardly a sparse feature, whatever it is.
#
# The circles are the control. A random dictionary's densities are alike: **0.61** of its directions lie in one range. The SAE's spread over all the ranges: it has common latents and rare ones. But of the random directions just **0.001** are never used. So few dead latents show that a dictionary is in use, and not that it is a good one. (PCA's 32 directions are all "active" on every vector.)

# %% tags=["numbers"]
claim("never fire here", shares["never"], text=0.17, within=0.01)
claim("dead in the report", report["dead"], text=0.0145, within=0.00006)
claim("most frequent", found.density.max(), text=0.51, within=0.02)
claim("random dictionary, never", random_shares["never"], text=0.001, within=0.0009)
claim("random dictionary, in one range", max(random_shares.values()), text=0.61, within=0.02)
assert max(shares.values()) < 0.3

# %% [markdown]
# ### 11. Loss recovered
#
# Variance is not what the model cares about. So put the reconstruction in the place of what block 15 reads, and let the model go on. How much of its loss does that cost? The scale is set by an **ablation**, which is 0, and the clean run, which is 1.
#
# ### Exercise 8 · loss recovered (5 minutes, easy)


# %% tags=["exercise:utils.features.sae.loss_recovered"]
def loss_recovered(
    replaced: Float[Tensor, " text"],
    *,
    clean: Float[Tensor, " text"],
    ablated: Float[Tensor, " text"],
) -> float:
    """How much of the loss that an ablation costs a reconstruction saves: 1 is all of it, 0 none.

    Losses are averaged over texts before anything is divided.

    Args:
        replaced: each text's loss with the reconstruction, in nats a token.
        clean: with nothing changed.
        ablated: with the ablation: zeros, say, or the mean vector.
    """
    ### BEGIN SOLUTION
    cost = ablated.mean() - clean.mean()
    return ((ablated.mean() - replaced.mean()) / cost).item()
    ### END SOLUTION


# %% tags=["check"]
loss_recovered = lesson_42.check_loss_recovered(loss_recovered)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two of the three losses set the scale: where on it are they?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Put `ablated` in the place of `replaced`: you should get 0. Then `clean`: 1.
#
# </details>

# %% [markdown]
# Which ablation? **Zeros**, or the **mean** vector. The usual one is zeros. *Predict first:* which makes the SAE look better?
#
# And one more question. Are the SAE's errors harmless leftovers? Then other errors *of the same length*, token by token, should hurt as much. Gurnee (2024) found in GPT-2 that random ones hurt less; Lee and Heimersheim (2024) showed that with better baselines little of that was left. Take two kinds:
#
# - **noise** in all directions alike. It mostly lies where vectors hardly vary;
# - the SAE's own errors, **misplaced**: those of other tokens of the same text.
#
# Either lengthens vectors, while an SAE shortens them. So take each once more **at the SAE's length** ("its length" in the table): moved along its line from the mean until it is as far from it as the SAE's reconstruction. Draw each twice, and average the losses. And as a control of the control, hold PCA with as good an FVU, and the SAE of section 8 (the *short SAE*), against noise as long as *their* errors. (BOS's vector stays as it is, in zeros too.)

# %%
equal = f"PCA, {n_equal} components"
stand_ins = {"zeros": torch.zeros_like, "mean": lambda x: mean.to(x).expand_as(x), "SAE": sae}
stand_ins |= controls | {"short SAE": small}
for name in (equal, "short SAE"):
    stand_ins[f"noise for {name}"] = saes.noises(stand_ins[name], centre=mean)["noise"]
noises = [saes.noises(sae, centre=mean, seed=seed) for seed in (0, 1)]
stand_ins |= {f"{name} {i}": each for i in (0, 1) for name, each in noises[i].items()}
with torch.no_grad():  # of 12 texts the first 64 tokens
    loss = saes.losses_with(model, [row[:64] for row in test_rows[:12]], stand_ins, layer=LAYER)
    corrected = fvu_of(noises[0]["noise, its length"])
for name in noises[0]:  # the mean of both draws
    loss[name] = (loss.pop(f"{name} 0") + loss.pop(f"{name} 1")) / 2


def recovered(name: str, ablation: str) -> tuple[float, float, float]:
    """Loss recovered, and its 95% interval: whole texts are drawn anew."""
    value = loss_recovered(loss[name], clean=loss["clean"], ablated=loss[ablation])
    saved, to_save = (loss[ablation] - loss[each] for each in (name, "clean"))
    return value, *bootstrap(saved, over=to_save)


def beside(name: str, one: str = "SAE") -> tuple[float, float, float]:
    """How much more the one costs than this, in nats, and the 95% interval."""
    more = loss[one] - loss[name]
    return more.mean().item(), *bootstrap(more)


zeros, by_mean = recovered("SAE", "zeros"), recovered("SAE", "mean")
noise, short = beside("noise"), beside("noise for short SAE", "short SAE")
cost = {name: (each - loss["clean"]).mean().item() for name, each in loss.items()}
print(f"clean loss: {loss['clean'].mean():.2f} nats a token")
plots.table(
    [
        (name, f"{cost[name]:.2f}", "{:+.2f} ({:+.2f} to {:+.2f})".format(*beside(name)))
        + tuple("{:.3f} ({:.3f} to {:.3f})".format(*recovered(name, a)) for a in ("zeros", "mean"))
        for name in list(loss)[1:]
    ],
    columns=["instead of the vectors", "cost, nats", "SAE - this", "of zeros", "of the mean"],
)

# %% [markdown]
# The SAE recovers **0.984** of the loss against zeros (**0.978** to **0.990**), and **0.980** against the mean. (`report.json`, from 200 texts: **0.980** and **0.974**.) Both sound nearly perfect.
#
# - **The mark is low.** Zeros cost **10.7** nats, on a clean loss of **1.97**: the model then does worse than if it guessed evenly among all tokens (`10.8` nats). The mean vector costs **8.7**. Against zeros even PCA with 32 components "recovers" **0.74**, and a *random* dictionary **0.66**.
# - **In nats** the SAE costs **0.17**. PCA at the same FVU costs **0.20** more (**0.11** to **0.28**): at equal variance the SAE keeps more of what the model needs. Training vectors as directions, whose FVU is larger, cost **0.95** more.
# - **Are its errors worse than noise?** That is not seen here. Noise costs **0.15**, and the SAE **0.02** more (**-0.02** to **0.08**). This rules out a doubling, and not a small effect. Noise at the SAE's length is also *shorter* than the SAE's error (an FVU of **0.128**, not of **0.15**), and the difference is **0.00** (**-0.05** to **0.04**). Misplaced errors cost about as much too (the interval has 0 in it), and at the SAE's length rather more than the SAE's own. So Gurnee's finding (there in KL divergence) was not seen in the loss with this SAE.
# - **That depends on what left the errors.** PCA's, at the same FVU, cost **0.23** more than noise as long as *they* are (**0.18** to **0.29**), and the short SAE's **0.94** more (**0.73** to **1.18**). What a cruder method leaves over holds more of what the model needs. So do not carry such a finding from one SAE to another.

# %% tags=["numbers"]
claim("of zeros", zeros[0], text=0.984, within=0.002)
claim("of zeros, low", zeros[1], text=0.978, within=0.003)
claim("of zeros, high", zeros[2], text=0.990, within=0.003)
claim("of the mean", by_mean[0], text=0.980, within=0.002)
claim("report, zeros", report["recovered of zero"]["sae"], text=0.980, within=0.0006)
claim("report, mean", report["recovered of mean"]["sae"], text=0.974, within=0.0006)
claim("zeros cost", cost["zeros"], text=10.7, within=0.1)
claim("clean", loss["clean"].mean(), text=1.97, within=0.01)
claim("the mean costs", cost["mean"], text=8.7, within=0.1)
claim("PCA 32, of zeros", recovered("PCA, 32 components", "zeros")[0], text=0.74, within=0.01)
claim("random, of zeros", recovered("random, 32 of 4,608", "zeros")[0], text=0.66, within=0.01)
claim("SAE costs", cost["SAE"], text=0.17, within=0.01)
pca_more = beside("SAE", one=equal)
claim("PCA at the same FVU costs more", pca_more[0], text=0.20, within=0.02)
claim("... low", pca_more[1], text=0.11, within=0.02)
claim("... high", pca_more[2], text=0.28, within=0.02)
claim("vectors cost more", -beside("vectors, 32 of 4,608")[0], text=0.95, within=0.03)
noise_short = beside("noise, its length")
moved, moved_short = beside("misplaced errors"), beside("misplaced errors, its length")
pca_left = beside(f"noise for {equal}", equal)
claim("noise costs", cost["noise"], text=0.15, within=0.02)
claim("SAE less noise", noise[0], text=0.02, within=0.02)
claim("... low", noise[1], text=-0.02, within=0.03)
claim("... high", noise[2], text=0.08, within=0.03)
claim("FVU of the noise at the SAE's length", corrected, text=0.128, within=0.004)
claim("SAE less noise of its length", noise_short[0], text=0.00, within=0.02)
claim("... low", noise_short[1], text=-0.05, within=0.03)
claim("... high", noise_short[2], text=0.04, within=0.03)
assert moved[1] < 0 < moved[2]
claim("PCA less noise", pca_left[0], text=0.23, within=0.03)
claim("... low", pca_left[1], text=0.18, within=0.03)
claim("... high", pca_left[2], text=0.29, within=0.03)
claim("short SAE less noise", short[0], text=0.94, within=0.1)
claim("... low", short[1], text=0.73, within=0.1)
claim("... high", short[2], text=1.18, within=0.12)
assert moved_short[0] < -0.01, "misplaced errors of the SAE's length cost more than its own"
assert noise[2] < cost["noise"], "no doubling"
assert loss["zeros"].mean() > 10.8

# %% [markdown]
# What does none of these numbers show? That a latent *means* something, that it is one of the model's features, or that none was missed. In part A SAEs with a better FVU than all others had found few of the features. Lesson 4.3 looks at single latents, and at what such scores say of a model with random weights.
#
# ## What you found

# %% tags=["results"]
three = "{:.2f} ({:.2f} to {:.2f})".format
rows = f"""
planted features: mean max cosine | {first.cosine.mean():.3f} | random {cosines["random dictionary"].mean():.2f}, PCA {cosines["PCA, both signs"].mean():.2f} | toy data: ReLU with L1 finds them (Sharkey et al.)
recall with L0 about 14, where 3 are active | TopK {swept["TopK", 14].recall:.2f} | TopK 3: {sparse.recall:.2f}, with a worse FVU | 
output scale, ReLU 0.3 | {first.scale:.2f} | TopK {sparse.scale:.2f}, JumpReLU {jump.scale:.2f} | L1 shrinks (several models, arXiv 2404.16014)
rarest quarter, 128 latents with AuxK | {planted.by_quarter(wide_aux.cosine)[3]:.2f} | without AuxK {quarters[2, 3]:.2f} | AuxK wakes latents (GPT-4, arXiv 2406.04093)
parent's latent fires with a child, 48 latents | {fires_48["with a child"]:.2f} | 6 latents {fires_6["with a child"]:.2f} | absorption (Gemma 2 2B, arXiv 2409.14507)
SmolLM2 layer 15: FVU | {three(1 - found.explained, *fvu_range)} | PCA 32: {fvu["PCA, 32 components"]:.2f}, vectors {fvu["vectors, 32 of 4,608"]:.2f} | 
loss recovered, of zeros | {three(*zeros)} | random dictionary {three(*recovered("random, 32 of 4,608", "zeros"))} | 
cost less that of equally long noise, nats | {three(*noise)} | short SAE: {three(*short)} | worse than noise (GPT-2 small, Gurnee); no longer, with a better baseline (GPT-2, arXiv 2410.12555)
"""
plots.table(
    [row.split(" | ") for row in rows.strip().split("\n")],
    columns=["", "ours", "control", "elsewhere"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. In a model you do not know the right L0. What could you look at, to choose one?
# 2. Is a latent for "animal, dog" a worse feature than one for "animal" and one for "dog"? For which use?
# 3. TopK uses 32 latents for every token. Would you expect each token to need as many? What would you see if not?
# 4. This SAE's errors cost about as much as noise. Does that show that they hold nothing of interest? How would you find out?
#
# ## Common mistakes
#
# - Starting the world and the SAE from the same random seed: both draw normal numbers, so the SAE *starts* at the planted directions. (`planted.world_generator` is there for this reason.)
# - Reporting the start that worked, out of several.
# - Reporting loss recovered without nats, or without a weak baseline beside it.
#
# ## Where this breaks
#
# The worlds of part A are kind: unit directions, independent features or families of one simple shape, no noise; and their settings were chosen by recall. Everything in part B is one layer of one small model, on text that it wrote itself (`cfg.json` says how much, and how often each text came). Twelve texts make wide intervals. Nothing in this lesson says what a latent stands for.
#
# ## Further reading
#
# - Cunningham et al. (2023), *Sparse Autoencoders Find Highly Interpretable Features in Language Models*, arXiv 2309.08600
# - Sharkey, Braun and Millidge (2022), *[Interim research report] Taking features out of superposition with sparse autoencoders*, Alignment Forum: planted features
# - Bricken et al. (2023), *Towards Monosemanticity: Decomposing Language Models With Dictionary Learning*, Anthropic: splitting
# - Gao et al. (2024), *Scaling and evaluating sparse autoencoders*, arXiv 2406.04093: TopK, AuxK
# - Rajamanoharan et al. (2024), *Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders*, arXiv 2407.14435
# - Rajamanoharan et al. (2024), *Improving Dictionary Learning with Gated Sparse Autoencoders*, arXiv 2404.16014: shrinkage
# - Chanin et al. (2024), *A is for Absorption: Studying Feature Splitting and Absorption in Sparse Autoencoders*, arXiv 2409.14507
# - Gurnee (2024), *SAE reconstruction errors are (empirically) pathological*, LessWrong
# - Lee and Heimersheim (2024), *Investigating Sensitive Directions in GPT-2: An Improved Baseline and Comparative Analysis of SAEs*, arXiv 2410.12555
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.1 · Superposition](41_superposition.ipynb) | **Next:** [4.3 · Features of a real model](43_features.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("42")
