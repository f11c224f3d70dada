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
# 1. follow a verdict from where it is said back to where it is made, with a probe, steering, neurons and heads, each beside its control;
# 2. rank heads by what their weights write into chosen neurons, and say which causal heads such a ranking, or attention, cannot find;
# 3. tell what a verdict **needs** from what is **enough** for it.
#
# **Time** two and a half hours. **Needs** lesson 2.1: probes; 3.1: steering; 1.3 and 1.4: direct attribution and patching; 1.5: circuits of heads.
# **Runs** in about two minutes on a laptop's processor.

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
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.utilities.statistics import success_rate_ci

from data.countdown import task as countdown
from utils import plots, stats, steering
from utils.reading import probes
from utils.cases import verification
from utils.checks import lesson_51
from utils.lesson import claim
from data.countdown.task import NO, VOCABULARY, YES
from utils.heads import head_name, random_heads, top_heads
from utils.models import load
from utils.cases.verification import without_heads, without_neurons

model = load("countdown/variable_0")
cfg = model.cfg

# %% [markdown]
# ## 1. A model that says when it is done
#
# The game is CountDown: reach a target from some numbers by + and -, using each once. A small model plays it in words. It tries, says in brackets what it thinks of the try, and goes on until it is content:
#
# `make 19 from 28 31 22 : 31 + 28 = 59 - 22 = 37 ( no 37 ) , 28 + 22 = 50 - 31 = 19 ( this works )`
#
# The word after the opening bracket is its **verdict**: *this*, *yes*, *right*, *solved* accept the try; *not*, *no*, *wrong*, *misses* reject it. Nobody told the model how to check. **How does it know that it is done?**
#
# Lee and others asked this of a model of 3 billion parameters (arXiv 2504.14379) which had learnt the game by reinforcement learning: it wrote what it liked and was rewarded for right answers. Ours has half a million parameters, 3 layers of 8 heads, and learnt by **imitation**: it read 192,000 searches that a program wrote (`data/countdown/`), in which every verdict is right. And the verdict counted ten times in its loss (`data/countdown/README.md`). So what you find is how *this* model checks. Whether it is how theirs does, section 10 asks.
#
# The part up to the colon is the **header**. It begins with 0 to 7 filler words before `make`, so that the target is at no fixed place. Section 11 has a model without them.
#
# First: can it play at all? It must add and judge on sets of numbers that it has not learnt from. Control: a searcher who draws results at random, no result twice, at most 7 times (no text that the model learnt from has more tries).

# %%
puzzles = verification.some_puzzles(300, generator=random.Random(0))
written = verification.write(model, [puzzle.header for puzzle in puzzles])

judged = [countdown.read(puzzle, words) for puzzle, words in zip(puzzles, written, strict=True)]
solved = torch.tensor([countdown.solved(each) for each in judged]).float()
by_luck = [min(1, 7 / len(countdown.tries(puzzle.numbers))) for puzzle in puzzles]
luck = sum(by_luck) / len(puzzles)
ability, solved_range = countdown.ability(puzzles, written), stats.bootstrap(solved)
print(" ".join([*puzzles[1].header, *written[1]]))
print({name: round(value, 3) for name, value in ability.items()}, f"by luck {luck:.2f}")

# %% [markdown]
# It solves **0.88** of the puzzles (95% interval **0.85** to **0.92**); luck solves **0.98** with at most 7 tries. It plays legally (**0.98** of its tries), but it searches worse than a random draw. Its *verdicts* are nearly perfect (**1.00** are right), and they are what we study.

# %% tags=["numbers"]
claim("solved", ability["solved"], text=0.88, within=0.03)
claim("solved, low", solved_range[0], text=0.85, within=0.04)
claim("solved, high", solved_range[1], text=0.92, within=0.04)
claim("by luck", luck, text=0.98, within=0.01)
claim("legal", ability["legal"], text=0.98, within=0.01)
claim("verdicts right", ability["verdicts right"], text=1.00, within=0.005)
assert solved_range[1] < luck and ability["verdicts right"] > 0.99

# %% [markdown]
# ## 2. Where the verdict is about to be said
#
# At `(` a result has been written, and the next word is the verdict. That is where to look. Label each such **position** by *what is true* there, not by what the model says: a **hit** is a result that equals the target, a **miss** one that does not.
#
# ### Exercise 1 · brackets and labels (10 minutes, easy)


# %% tags=["exercise:utils.cases.verification.bracket_places"]
def bracket_places(words: Sequence[str]) -> list[tuple[int, bool]]:
    """Every `(` right after a number: (its position, whether that number is the target).

    Args:
        words: a header and what was written after it. The target is the number after `make`; the
            text may end at a `(`.
    """
    ### BEGIN SOLUTION
    target = words[words.index("make") + 1]
    found = []
    for i in range(1, len(words)):
        if words[i] == "(" and words[i - 1].isdigit():
            found.append((i, words[i - 1] == target))
    return found
    ### END SOLUTION


# %% tags=["check"]
bracket_places = lesson_51.check_bracket_places(bracket_places)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# In `make 5 from 2 3 : 2 + 3 = 5 (` the bracket is word 11, and word 10 is compared with word 1. With a filler in front, all of these move by one.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `words.index("make") + 1` is where the target stands. Words are strings: compare `"5" == "5"`, and ask `word.isdigit()`.
#
# </details>

# %% [markdown]
# Now all such positions in what the model wrote. They are split **by puzzle**: on the first 150 puzzles you choose (probes, neurons, heads), on the other 150 you test. Below, *hits* are test positions where the result is the target and the model says so; *misses* every third of those where it is not and the model says so. Both from the first 64 words of each text: short rows run fast.

# %%
positions = verification.brackets(model, puzzles, written)
chosen = positions.where(positions.text < 150)
tested = positions.where(positions.text >= 150)


def right_verdicts(some, model=model) -> tuple:
    """(hits that are accepted, misses that are rejected), both early in their texts."""
    yes, early = verification.accepted(model, some).to(some.hit.device), some.pos < 64
    return some.where(early & some.hit & yes), some.where(early & ~some.hit & ~yes)


hits, misses = right_verdicts(tested)
misses = misses.where(torch.arange(len(misses.pos), device=cfg.device) % 3 == 0)
chosen_hits, _ = right_verdicts(chosen)


def accepts(change: AbstractContextManager, among=hits, model=model) -> float:
    """The share of positions where the model says yes, within a change of it."""
    with change:
        return verification.accepted(model, among).float().mean().item()


print(f"{len(chosen.pos)} positions to choose on ({int(chosen.hit.sum())} hits)")
print(
    f"{len(tested.pos)} positions to test on; used: {len(hits.pos)} hits, {len(misses.pos)} misses"
)

# %% [markdown]
# ## 3. A probe, layer by layer
#
# At which depth can a hit be told from a miss? The probe is the difference of means of lesson 2.1, fitted on the positions to choose on. AUC: how often a hit scores above a miss; `0.5` is chance.
#
# You look at two positions: at the bracket, and one token before it, at the **result** itself, which the model has just written. Control: the `=` before the result, where the sum is not yet said (the model may know it, but cannot have checked what it says).
#
# *Predict first:* at which layer does the bracket know? Does the result know before it?

# %%
SPOTS = {"at (": 0, "at the result": 1, "at = (control)": 2}
fit = {name: verification.resid_at(model, chosen, back=back) for name, back in SPOTS.items()}
test = {name: verification.resid_at(model, tested, back=back) for name, back in SPOTS.items()}
labels, test_labels = chosen.hit.cpu().int(), tested.hit.cpu().int()
probe = {
    name: [probes.mean_difference(each, labels) for each in layers] for name, layers in fit.items()
}


def auc_at(name: str, layer: int, found=probe) -> float:
    return stats.auc(found[name][layer].scores(test[name][layer]), test_labels)


auc = {name: [auc_at(name, layer) for layer in range(cfg.n_layers + 1)] for name in SPOTS}
draw = torch.Generator().manual_seed(0)
mixed = [labels[torch.randperm(len(labels), generator=draw)] for _ in range(20)]
noise = [probes.mean_difference(fit["at ("][3], each) for each in mixed]
shuffled = [stats.auc(each.scores(test["at ("][3]), test_labels) for each in noise]
print("shuffled labels, at ( after the last block:", [round(value, 2) for value in shuffled[:8]])
plots.lines(
    auc,
    title="Hits can be told at the result by layer 2, at the bracket only at the end",
    x="layer (resid_pre L; 3 is after the last block)",
    y="AUC on other puzzles",
    chance=0.5,
).update_xaxes(dtick=1)

# %% [markdown]
# Before block 2, the *result* tells hits from misses with an AUC of **1.00**, and the bracket with **0.61**. After the last block the bracket has **1.00** too. So it can be read **at the result, after block 1**, and block 2 brings it to where it is said (in this model: section 10 has one that does it otherwise). A probe at the bracket alone would have told you "in the last layer". (A straight line that finds little before block 1 does not prove that there is little. Section 11 has a better test.)
#
# The control: the `=` stays at **0.54** or below at every layer. What the bracket has before block 2 is little more. It may come from some results being hits more often than others (not tested here).
#
# Shuffled labels are a *poor* control here: after the last block they give an AUC close to 0 or to 1, on average **0.50** away from one half. One direction, the verdict, dominates that space, and a direction learnt from noise lies mostly along it, with a random sign.

# %% tags=["numbers"]
claim("result, layer 2", auc["at the result"][2], text=1.00, within=0.01)
claim("bracket, layer 2", auc["at ("][2], text=0.61, within=0.08)
claim("bracket, end", auc["at ("][3], text=1.00, within=0.01)
claim("=, highest", max(auc["at = (control)"]), text=0.54, within=0.08)
far = sum(abs(value - 0.5) for value in shuffled) / len(shuffled)
claim("shuffled, end, from a half", far, text=0.50, within=0.05)
assert auc["at the result"][1] < 0.75 and auc["at ("][2] < 0.75

# %% [markdown]
# ## 4. What the probe would say
#
# Read the probe's direction as the model would: through the final norm's weight and the unembedding. Which words does it push?
#
# ### Exercise 2 · yes or no (10 minutes, easy)
#
# Lesson 4.3 had the effect of a direction $d$ of length 1 on all logits, $(d \odot w)\, W_U$. Make one number of it: the mean over the words for yes, minus the mean over those for no.


# %% tags=["exercise:utils.cases.verification.verdict_push"]
def verdict_push(
    direction: Float[Tensor, " d_model"],
    norm_weight: Float[Tensor, " d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
    *,
    yes: Sequence[int],
    no: Sequence[int],
) -> Float[Tensor, ""]:
    """Mean effect of a direction, at length 1, on the logits of yes, minus that of no.

    Args:
        direction: of any length.
        norm_weight: the final norm's weight.
        yes, no: token ids; there may be more of one than of the other.
    """
    ### BEGIN SOLUTION
    effect = (direction / direction.norm() * norm_weight) @ W_U
    return effect[list(yes)].mean() - effect[list(no)].mean()
    ### END SOLUTION


# %% tags=["check"]
verdict_push = lesson_51.check_verdict_push(verdict_push)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First the direction at length 1, then times the weight, entry by entry, then through `W_U`: one number for each word. The order matters.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `logits[list(yes)].mean()` is one half. Sums would favour the side with more words.
#
# </details>

# %%
W_U = model.W_U.detach().float().cpu()
norm_weight = model.ln_final.weight.detach().float().cpu()
ids = {"yes": list(verification.YES_TOKENS), "no": list(verification.NO_TOKENS)}

said = probe["at ("][3].direction  # what is said at the bracket, after the last block
made = probe["at the result"][2].direction  # what the result holds before block 2
strangers = steering.random_directions(200, said, generator=torch.Generator().manual_seed(0))
push = {
    "at (, end": float(verdict_push(said, norm_weight, W_U, **ids)),
    "at the result, layer 2": float(verdict_push(made, norm_weight, W_U, **ids)),
}
pushes = torch.tensor([float(verdict_push(each, norm_weight, W_U, **ids)) for each in strangers])
effect = (said / said.norm() * norm_weight) @ W_U
effect = effect - effect.mean()
likeliest = (
    [VOCABULARY[i] for i in effect.topk(4).indices],
    [VOCABULARY[i] for i in (-effect).topk(4).indices],
)
print({name: round(value, 2) for name, value in push.items()}, f"random: sd {pushes.std():.2f}")
plots.bars(
    {word: effect[VOCABULARY.index(word)].item() for word in YES + NO},
    kinds={word: "yes" if word in YES else "no" for word in YES + NO},
    title="The bracket's probe promotes the four words for yes and demotes those for no",
    y="effect on the logit",
)

# %% [markdown]
# Of all `93` words, the bracket's probe pushes the four for yes up most, and the four for no down most: its push is **1.34**, where random directions have a standard deviation of **0.17**. A probe learns from activations alone; it was not told which words there are.
#
# The *result's* probe says **-0.12** on that scale: no more than a random direction. What the result knows is not yet in words; somebody must translate. Keep that in mind for section 6.

# %% tags=["numbers"]
claim("push of the bracket's probe", push["at (, end"], text=1.34, within=0.05)
claim("random, sd", pushes.std(), text=0.17, within=0.03)
claim("push of the result's probe", push["at the result, layer 2"], text=-0.12, within=0.08)
assert set(likeliest[0]) == set(YES) and set(likeliest[1]) == set(NO) and len(VOCABULARY) == 93
assert abs(push["at the result, layer 2"]) < 3 * pushes.std()

# %% [markdown]
# ## 5. "This works"
#
# If the direction is what the verdict is, adding it to a miss should make the model accept: a **false accept**. Add it at these positions alone, so that the rest of the text stays what it was.
#
# The dose is in units of the stream's median length at that layer and position, on the puzzles to choose on. Three ways to write it:
#
# - the bracket's direction at `(`, after the last block: as good as telling the unembedding what to say;
# - the same direction at `(`, before block 2;
# - the result's direction at the **result**, before block 2. The bracket itself is not touched.
#
# Two controls. Five random directions for each way: a weak one, since in 96 dimensions a random direction has hardly a part along the probe. And the directions **swapped**, each put where the other belongs: they are as special as the right ones, and could well work.

# %%
DOSES = (0.25, 0.5, 0.75, 1.0, 1.5)
WAYS = {  # the direction, the layer, and how far before the bracket
    "at (, end": (said, 3, 0),
    "at (, layer 2": (said, 2, 0),
    "at the result, layer 2": (made, 2, 1),
    "swapped, at (": (made, 3, 0),
    "swapped, at the result": (said, 2, 1),
}
RIGHT = list(WAYS)[:3]
typical = {
    name: fit["at the result" if back else "at ("][layer].norm(dim=-1).median().item()
    for name, (_, layer, back) in WAYS.items()
}


def steered(vector: torch.Tensor, layer: int, back: int) -> AbstractContextManager:
    """Within it, a vector is added at the misses."""
    name = f"blocks.{layer}.hook_resid_pre" if layer < cfg.n_layers else "blocks.2.hook_resid_post"

    def add(resid, hook):
        resid = resid.clone()
        resid[misses.text, misses.pos - back] += vector.to(resid)
        return resid

    return model.hooks(fwd_hooks=[(name, add)])


false_accepts = {}
for name, (direction, layer, back) in WAYS.items():
    vectors = [steering.at_dose(direction, dose, norm=typical[name]) for dose in DOSES]
    false_accepts[name] = [accepts(steered(v, layer, back), misses) for v in vectors]
others = []
for name in RIGHT:
    direction, layer, back = WAYS[name]
    longest = steering.at_dose(direction, DOSES[-1], norm=typical[name])
    for vector in steering.random_directions(
        5, longest, generator=torch.Generator().manual_seed(1)
    ):
        others.append(accepts(steered(vector, layer, back), misses))
before = accepts(nullcontext(), misses)
print("15 random directions at the highest dose:", others)
plots.lines(
    {name: [before, *each] for name, each in false_accepts.items()},
    at=[0, *DOSES],
    title="The model can be told that a miss works, at the bracket or at the result",
    x="dose (1 is the stream's median length)",
    y="false accepts",
)

# %% [markdown]
# At dose `1` the three ways give **1.00**, **0.04** and **0.94** false accepts, at `1.5` all at least **0.78**. Before, there are **0.00**. Swapped, the directions give **0.00** at every dose, and the best random direction the same at the highest. So it takes the right direction at the right position.
#
# But these are long vectors: as long as the whole stream. How long need they be? The means of hits and misses lie **1.1** such lengths apart at the result, so a dose of about one just moves a miss to where hits are. A dose of a quarter gives **0.00** at most.

# %% tags=["numbers"]
claim("end, dose 1", false_accepts["at (, end"][3], text=1.00, within=0.05)
claim("layer 2, dose 1", false_accepts["at (, layer 2"][3], text=0.04, within=0.1)
claim("result, dose 1", false_accepts["at the result, layer 2"][3], text=0.94, within=0.08)
claim("least at 1.5", min(false_accepts[name][-1] for name in RIGHT), text=0.78, within=0.12)
claim("before", before, text=0.00, within=0.01)
swapped = [false_accepts[name] for name in WAYS if name not in RIGHT]
claim("swapped", max(max(each) for each in swapped), text=0.00, within=0.05)
claim("distance", made.norm() / typical["at the result, layer 2"], text=1.1, within=0.1)
assert max(others) < 0.05
claim("a quarter", max(e[0] for e in false_accepts.values()), text=0.00, within=0.03)

# %% [markdown]
# ## 6. From the probe to neurons
#
# A neuron of this model's MLPs is a **gated linear unit**, GLU. It has three vectors: one opens its **gate**, one is what it takes **in**, and one is its **out** vector, also called its value. How far the gate is open, times what is taken in, says how much it writes of the out vector. For an input $x$ and the three vectors $g$, $i$ and $o$ it writes $\text{silu}(x \cdot g)\,(x \cdot i)\; o$, where silu(a) is close to 0 for negative a and close to a for large ones.
#
# The paper's next step: take the neurons whose *out* vector points along the probe. Call them **valid** neurons (along it) and **invalid** ones (against it), 20 of each in every layer but the first.
#
# ### Exercise 3 · which neurons write along a direction? (10 minutes, easy)


# %% tags=["exercise:utils.cases.verification.alignment"]
def alignment(model, direction: Float[Tensor, " d_model"]) -> Float[Tensor, "layer neuron"]:
    """The cosine of each neuron's out vector, what it writes when it is 1, with a direction.

    Args:
        model: `model.W_out` is [layer, neuron, d_model]; the gate's and the input's weights,
            `W_gate` and `W_in`, are [layer, d_model, neuron].
        direction: of any length.
    """
    ### BEGIN SOLUTION
    values = model.W_out.detach().float().cpu()
    return torch.nn.functional.cosine_similarity(values, direction.float().cpu(), dim=-1)
    ### END SOLUTION


# %% tags=["check"]
alignment = lesson_51.check_alignment(alignment)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A cosine is a dot product divided by both lengths. A neuron's out vector is one *row* of `W_out[layer]`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `W_out @ direction` has shape [layer, neuron], and so has `W_out.norm(dim=-1)`.
#
# </details>

# %% [markdown]
# Now set them to zero, everywhere, and see which hits are still accepted. Do it twice: by the bracket's probe, in layers 1 and 2 as in the paper, and by the *result's* probe, in layer 1, where it can be read first. Controls: random sets as large as both kinds, six of each; and each MLP as a whole.
#
# *Predict first:* the probe reads the verdict perfectly. Will it survive without the neurons that write along the probe?

# %%
N_NEURONS, LAYERS = 20, (1, 2)
cosines = alignment(model, said)
best_stranger = torch.stack([alignment(model, each).amax(-1) for each in strangers[:20]]).mean(0)


def neuron_sets(direction: torch.Tensor, layers) -> dict[str, dict]:
    """Valid, invalid, and both."""
    cosines = alignment(model, direction)
    valid, invalid = (
        verification.aligned_neurons(cosines, N_NEURONS, layers=layers, sign=sign)
        for sign in (1, -1)
    )
    return {"valid": valid, "invalid": invalid, "both": verification.both(valid, invalid)}


def random_sets(layers, count: int = 6) -> list[float]:
    draw = torch.Generator().manual_seed(0)
    pick = {"layers": layers, "d_mlp": cfg.d_mlp, "generator": draw}
    sets = [verification.random_neurons(2 * N_NEURONS, **pick) for _ in range(count)]
    return [accepts(without_neurons(model, each)) for each in sets]


by_probe, by_result = neuron_sets(said, LAYERS), neuron_sets(made, (1,))
left = {f"bracket's,<br>{k}": accepts(without_neurons(model, each)) for k, each in by_probe.items()}
left |= {
    f"result's,<br>{k}": accepts(without_neurons(model, each)) for k, each in by_result.items()
}
dots = {"random,<br>layers 1, 2": random_sets(LAYERS), "random,<br>layer 1": random_sets((1,))}
left |= {name: sum(each) / len(each) for name, each in dots.items()}
whole_mlp = {layer: {layer: torch.arange(cfg.d_mlp)} for layer in LAYERS}
left_mlp = {layer: accepts(without_neurons(model, each)) for layer, each in whole_mlp.items()}
with without_neurons(model, whole_mlp[1]):
    sums_left = verification.sums_right(model, hits).mean()
print("highest cosine by layer:", [round(v, 2) for v in cosines.amax(-1).tolist()])
print("for random directions:", [round(v, 2) for v in best_stranger.tolist()])
print("without a whole MLP:", left_mlp, f"and without MLP 1 {sums_left:.2f} of the sums are right")
plots.bars(
    left,
    dots=dots,
    kinds={name: name.split(",")[0] for name in left},
    title="Hits accepted without neurons: those along the result's probe matter",
    y="hits accepted",
).update_xaxes(tickangle=0)

# %% [markdown]
# By the bracket's probe, without valid, invalid or both at least **0.99** of the hits are accepted, and without all of MLP 2, **1.00**. So these neurons are *not needed*. In the paper, the valid ones changed little too, but both together broke nearly half of the checks. Why not here? (Without MLP 1 it is **0.00**, but only **0.23** of the sums are right then: that is a broken model, and no evidence.)
#
# **First reason: two writers.** Let each head and MLP say how much it adds to the distance of hits from misses, along the probe, at the bracket (direct attribution, lesson 1.3).

# %%
gap_heads, gap_mlps = verification.gap_by_part(model, tested, said)
share = {
    **{head_name(head): gap_heads[head].item() for head in top_heads(gap_heads, 3)},
    **{f"MLP {layer}": gap_mlps[layer].item() for layer in range(cfg.n_layers)},
}
total = (gap_heads.sum() + gap_mlps.sum()).item()
share = {name: value / total for name, value in share.items()}
print("share of the gap:", {name: round(value, 2) for name, value in share.items()})

# %% [markdown]
# MLP 2 writes **0.79** of the distance, and two heads, L2H2 and L2H0, the rest: **0.12** and **0.09**. Take MLP 2 out, and the heads still write theirs. The final norm divides by the stream's length, so a verdict of a fifth is a verdict. The heads bring it, MLP 2 makes it louder.
#
# **Second reason: layer 1 speaks another language.** What the *result* knows lies along another direction: the cosine between the two probes is **-0.10**. In layer 1 the best neuron has a cosine of **0.29** with the bracket's probe, and with a random direction **0.27**. So the "aligned" neurons of layer 1 are just any neurons.
#
# By the *result's* probe it looks like the paper's pattern. Without the valid ones **0.97** of the hits are accepted, without the invalid ones **0.98**, and without both, 40 of 288, **0.02**; without random sets of 40, **1.00**.
#
# But is the check *gone*? "Accepted" cannot tell a model that is blind from one that says no to everybody. Ask whether its verdicts still rank hits above misses, by the log-odds of yes.


# %%
def log_odds(change: AbstractContextManager) -> list[torch.Tensor]:
    """Of yes against no, at the hits and at the misses, within a change of the model."""
    with change:
        found = [verification.verdicts(model, each) for each in (hits, misses)]
    return [each.double().logit().cpu() for each in found]


odds = {
    "whole": log_odds(nullcontext()),
    "out": log_odds(without_neurons(model, by_result["both"])),
}
medians = {name: [x.median().item() for x in each] for name, each in odds.items()}
auc_out = verification.verdict_auc(*odds["out"])
shrunk = (medians["out"][0] - medians["out"][1]) / (medians["whole"][0] - medians["whole"][1])
print({name: [round(x, 1) for x in pair] for name, pair in medians.items()}, f"AUC {auc_out:.3f}")

# %% [markdown]
# Hits above misses: AUC **1.00**. Zeroing these neurons leaves the misses about where they were and brings the hits down close to them: nearly every verdict is now no, and the gap shrinks to **0.10** of what it was. But what is left still ranks hits first. So these neurons carry most of the *gap*, but without them the check is not gone. Remember this: few accepted hits do not yet show that a check is gone.

# %% tags=["numbers"]
claim("valid, invalid, both", min(list(left.values())[:3]), text=0.99, within=0.03)
claim("all of MLP 2", left_mlp[2], text=1.00, within=0.03)
claim("all of MLP 1", left_mlp[1], text=0.00, within=0.05)
claim("sums without MLP 1", sums_left, text=0.23, within=0.1)
claim("share of MLP 2", share["MLP 2"], text=0.79, within=0.03)
claim("share of L2H2", share["L2H2"], text=0.12, within=0.02)
claim("share of L2H0", share["L2H0"], text=0.09, within=0.02)
claim("two probes", torch.cosine_similarity(said, made, dim=0), text=-0.10, within=0.05)
claim("layer 1, best", cosines[1].max(), text=0.29, within=0.03)
claim("layer 1, best, random", best_stranger[1], text=0.27, within=0.03)
claim("result: valid", left["result's,<br>valid"], text=0.97, within=0.04)
claim("result: invalid", left["result's,<br>invalid"], text=0.98, within=0.04)
claim("result: both", left["result's,<br>both"], text=0.02, within=0.1)
claim("result: random", left["random,<br>layer 1"], text=1.00, within=0.03)
claim("AUC", auc_out, text=1.00, within=0.02)
claim("gap left", shrunk, text=0.10, within=0.05)
assert share["MLP 2"] + share["L2H2"] + share["L2H0"] > 0.97

# %% [markdown]
# ### A trap: the mean of what?
#
# Instead of zero, many papers set a neuron to its **mean**. Over which positions? At seven brackets of ten the result is a miss, so the mean says "a miss". Set the neurons aligned with the *bracket's* probe, which are not needed, to a mixture: `weight` times their mean over hits plus `1 - weight` times their mean over misses. Do it at the brackets of hits alone. Control: 40 random neurons a layer at their mean.

# %%
with torch.no_grad():
    names = [f"blocks.{layer}.mlp.hook_post" for layer in LAYERS]
    _, cache = model.run_with_cache(chosen.tokens, names_filter=names)
mean_of = {
    layer: [chosen.of(cache[name])[chosen.hit == bool(hit)].mean(0) for hit in (0, 1)]
    for layer, name in zip(LAYERS, names, strict=True)
}
hit_share = chosen.hit.float().mean().item()


def at_mean(neurons: dict, weight: float) -> AbstractContextManager:
    """Within it, neurons are `weight` of the mean hit, the rest of the mean miss, at the hits."""

    def change(post, hook):
        miss, hit = mean_of[hook.layer()]
        these, post = neurons[hook.layer()].to(post.device), post.clone()
        mean = weight * hit + (1 - weight) * miss
        post[hits.text[:, None], hits.pos[:, None], these] = mean[these].to(post)
        return post

    return model.hooks(fwd_hooks=[(f"blocks.{layer}.mlp.hook_post", change) for layer in neurons])


draw = torch.Generator().manual_seed(0)
pick = {"layers": LAYERS, "d_mlp": cfg.d_mlp, "generator": draw}
to_mean = {weight: accepts(at_mean(by_probe["both"], weight)) for weight in (hit_share, 0.4, 0.5)}
mean_of_others = [
    accepts(at_mean(verification.random_neurons(2 * N_NEURONS, **pick), hit_share))
    for _ in range(6)
]
with at_mean(by_probe["both"], hit_share):
    sums_at_mean = verification.sums_right(model, hits).mean()
print({round(weight, 2): round(value, 2) for weight, value in to_mean.items()}, mean_of_others)

# %% [markdown]
# Hits are **0.29** of the positions. The mean over all positions leaves **0.01** of the hits accepted, with **1.00** of the sums right (by construction: a sum stands before its bracket). With a weight of one half, **1.00** of the hits are accepted. Random neurons at their mean: at least **1.00** in six of six. So the mean "disables" neurons that are not needed: it *writes* a rejection. Where misses prevail, mean ablation of anything that carries the label is steering.

# %% tags=["numbers"]
claim("hits", hit_share, text=0.29, within=0.05)
claim("mean", to_mean[hit_share], text=0.01, within=0.1)
claim("sums", sums_at_mean, text=1.00, within=0.02)
claim("balanced mean", to_mean[0.5], text=1.00, within=0.05)
claim("random, least", min(mean_of_others), text=1.00, within=0.03)

# %% [markdown]
# ## 7. From the other side: heads that look at the target
#
# To check a result, something must look at the target. So start from below: which heads attend from the result, or from the bracket, to the target?
#
# ### Exercise 4 · attention between two positions (15 minutes, medium)


# %% tags=["exercise:utils.cases.verification.attention_between"]
def attention_between(
    pattern: Float[Tensor, "text head q k"],
    text: Int[Tensor, " pair"],
    query: Int[Tensor, " pair"],
    key: Int[Tensor, " pair"],
) -> Float[Tensor, "head pair"]:
    """How much each head attends from each query to its key, for queries and keys in pairs.

    Args:
        pattern: a layer's attention.
        text, query, key: of each pair: the text it is in, the position that attends, and the one
            that is attended to.
    """
    ### BEGIN SOLUTION
    return pattern[text, :, query, key].T
    ### END SOLUTION


# %% tags=["check"]
attention_between = lesson_51.check_attention_between(attention_between)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# One pair, in text 2, from position 9 to position 1: `pattern[2, :, 9, 1]`, a number for each head. Now for all pairs at once.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Three index tensors with a `:` between them: PyTorch puts the axis of pairs first, then the heads. Check the shape against the docstring.
#
# </details>

# %% [markdown]
# A head *attends* if its mean attention to the target, from either position, is above a threshold. The paper took one threshold. Take four. For each: how many heads pass, and are hits accepted without all of them? Control: as many random heads among those that do not pass, mean of six draws.

# %%
to_target = torch.stack(
    [
        verification.attention(model, chosen_hits, chosen_hits.target, back=back).mean(-1)
        for back in (0, 1)
    ]
).amax(0)
everyone = [(layer, head) for layer in range(cfg.n_layers) for head in range(8)]


def random_out(n: int, but, count: int) -> list[float]:
    """Hits accepted without n random heads, for each of `count` draws."""
    draw = torch.Generator().manual_seed(0)
    pick = {"layers": range(cfg.n_layers), "n_heads": 8, "but": but, "generator": draw}
    return [accepts(without_heads(model, random_heads(n, **pick))) for _ in range(count)]


attending = [head for head in everyone if to_target[head] > 0.1]
print({head_name(head): round(to_target[head].item(), 2) for head in attending})
passing = {}  # threshold: heads that pass, hits accepted without them, and without random heads
for threshold in (0.1, 0.5, 0.93, 0.96):
    heads = [head for head in everyone if to_target[head] > threshold]
    others = random_out(len(heads), heads, 6)
    passing[threshold] = len(heads), accepts(without_heads(model, heads)), sum(others) / 6
plots.table(
    [(t, n, f"{accepted:.2f}", f"{other:.2f}") for t, (n, accepted, other) in passing.items()],
    columns=["threshold", "heads that pass", "hits accepted without", "without random heads"],
)

# %% [markdown]
# At `0.1` **5** heads pass, all of them in layer 1, and without them **0.00** of the hits are accepted. At `0.93` **2** pass, and without the two **0.17** are; at `0.96` **1**, and without it **1.00**. Five random heads leave **0.61**: some draws hold a head that everything needs (section 8). Attention does find heads that matter *together*. But how many it names depends on the threshold, and from attention alone you cannot tell which of them do the work.

# %% tags=["numbers"]
claim("pass at 0.1", passing[0.1][0], text=5, within=0.1)
claim("attending heads out", passing[0.1][1], text=0.00, within=0.05)
claim("five random heads", passing[0.1][2], text=0.61, within=0.1)
claim("pass at 0.93", passing[0.93][0], text=2, within=0.1)
claim("without the two", passing[0.93][1], text=0.17, within=0.1)
claim("pass at 0.96", passing[0.96][0], text=1, within=0.1)
claim("without it", passing[0.96][1], text=1.00, within=0.05)
assert {layer for layer, _ in attending} == {1}

# %% [markdown]
# ## 8. Meeting in the middle: heads by what they write into neurons
#
# The paper's last step joins the two sides. The valid and invalid neurons of section 6 must be opened by something. A neuron's **receptive field** is the direction $f$ (of length 1) that opens its gate. A head writes $x\, OV$ for what it attends to, $x$; so $x\, OV f$ says how far it opens the gate. Rank the heads by that. A head is scored on the neurons that come after it, those of its own layer's MLP included: heads of layers 0 and 1 on 80 neurons (of which layer 1's 40 are "just any neurons", section 6), heads of layer 2 on 40.
#
# But what is $x$? There are two ways to leave it open:
#
# - **full**: any $x$. Then the length of $OV f$ counts, for each neuron.
# - **diagonal**: $x$ is the field itself. Then $f^\top OV f$ counts: a head that *copies* the field.
#
# ### Exercise 5 · the full drive (15 minutes, medium)


# %% tags=["exercise:utils.cases.verification.drive"]
def drive(
    ov: Float[Tensor, "d_model d_model"], fields: Float[Tensor, "d_model neuron"]
) -> Float[Tensor, ""]:
    """How strongly a head writes along receptive fields, whatever it reads.

    The root mean square, over neurons, of the length of `ov` times the field, divided by the size
    of `ov` (its Frobenius norm, the root of the sum of all its squared entries).

    Args:
        ov: a head's OV circuit; vectors are rows: the head writes `x @ ov`.
        fields: a column each, of length 1.
    """
    ### BEGIN SOLUTION
    lengths = (ov @ fields).norm(dim=0)
    return lengths.square().mean().sqrt() / ov.norm()
    ### END SOLUTION


# %% tags=["check"]
drive = lesson_51.check_drive(drive)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `x @ ov @ field` is a dot product of `x` with one vector that does not depend on `x`. Its length is what you want, for each field.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `ov @ fields` holds these vectors as columns: [d_model, neuron]. Root mean square: square the lengths, take the mean, take the root.
#
# </details>

# %% [markdown]
# For a random circuit this is about `0.102`, the root of 1/96: there are 96 directions to write along.
#
# ### Exercise 6 · its diagonal (10 minutes, medium)


# %% tags=["exercise:utils.cases.verification.diagonal_drive"]
def diagonal_drive(
    ov: Float[Tensor, "d_model d_model"], fields: Float[Tensor, "d_model neuron"]
) -> Float[Tensor, ""]:
    """The root mean square, over neurons, of `field @ ov @ field`, divided by the size of `ov`.

    Args:
        ov: a head's OV circuit; the head writes `x @ ov`.
        fields: a column each, of length 1.
    """
    ### BEGIN SOLUTION
    through = (fields * (ov @ fields)).sum(0)
    return through.square().mean().sqrt() / ov.norm()
    ### END SOLUTION


# %% tags=["check"]
diagonal_drive = lesson_51.check_diagonal_drive(diagonal_drive)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `fields.T @ ov @ fields` is a table: what is made of one field, along another. You need the entries where the two are the same.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Either the diagonal of that table, or `(fields * (ov @ fields)).sum(0)`. Square before you take the mean: signs would cancel.
#
# </details>

# %% [markdown]
# Side by side with an experiment: **knock-outs**, each head alone set to zero, and the share of hits that are no longer accepted (on the puzzles to choose on). Zero it *at the result and the bracket alone*: then the sums before are untouched, whatever else the head does.
#
# Baseline for a ranking: the same with 40 random neurons a layer. *Predict first:* which of the two rankings will show the heads with large knock-outs?


# %%
def lost_alone(model, among) -> torch.Tensor:
    """Hits lost without each head at the result and the bracket, [layer, head]."""
    alone = (without_heads(model, [head], positions=among) for head in everyone)
    return torch.tensor([1 - accepts(each, among, model) for each in alone]).view(cfg.n_layers, -1)


lost = lost_alone(model, chosen_hits)
scores = {
    "full": verification.rank_heads(model, by_probe["both"], score=drive),
    "diagonal": verification.rank_heads(model, by_probe["both"], score=diagonal_drive),
    "attention": to_target,
    "knock-out": lost,
}
ranked = {name: top_heads(each, 3) for name, each in scores.items()}
draw = torch.Generator().manual_seed(0)
pick = {"layers": LAYERS, "d_mlp": cfg.d_mlp, "generator": draw}
baseline = torch.stack(
    [verification.rank_heads(model, verification.random_neurons(40, **pick)) for _ in range(6)]
).amax(0)
copying = verification.rank_heads(model, {1: torch.arange(cfg.d_mlp)}, score=diagonal_drive)
layer_2 = top_heads(verification.rank_heads(model, {2: by_probe["both"][2]}), 3)
for name, heads in ranked.items():
    print(name, {head_name(head): round(scores[name][head].item(), 2) for head in heads})
print("diagonal, all 288 neurons of layer 1:", *map(head_name, top_heads(copying, 3)))
print("full, layer 2's neurons alone:", *map(head_name, layer_2))
with without_heads(model, [(0, 4)]):
    broken = verification.sums_right(model, hits).mean()
print(f"L0H4 out everywhere: {broken:.2f} of the sums are right")
looks = {
    back: verification.attention(model, chosen_hits, chosen_hits.pos - back, back=1).mean(-1)
    for back in (2, 4, 8)
}
print("L0H5 from the result:", {f"{b - 1} before": round(looks[b][0, 5].item(), 2) for b in looks})
plots.heatmap(
    {"hits lost": lost, "full drive": scores["full"], "diagonal drive": scores["diagonal"]},
    title="Neither ranking shows the heads that are needed alone",
    x="head",
    y="layer",
    ends={"hits lost": (0, 1), "full drive": (0, 0.3), "diagonal drive": (0, 0.3)},
    text="values",
)

# %% [markdown]
# Alone, one head is needed: L0H4 (**1.00** of the hits lost without it). L0H3 and L0H5 are needed in part (**0.37** and **0.22**). Neither ranking shows them, and attention to the target does not either. L0H4 attends from the result to the token before it, with **1.00**: by the `=` it finds there, a number can tell that it is a *result* (our reading: the weights were not taken apart). L0H5 looks from the result mainly at the signs of the sum. They seem to act far upstream of the neurons, through other heads. A ranking by what is written *into* the neurons does not show them; and they hardly look at the target.
#
# Why at these positions alone? Out *everywhere*, L0H4 leaves **0.01** of the sums right: that knock-out would have tested a broken model. And L0H3 out everywhere loses **0.00**: a zero at two positions is not a milder zero.
#
# What the full ranking does show: L2H2 (**0.27**) and L2H0 (**0.23**), where random neurons give them at most **0.16**. Those are the two heads that write to the verdict in section 6. Alone, neither is needed. The diagonal shows L1H5 (**0.05**) and two more of layer 1: heads of section 7, which attend to the target. But it would show these same three for *all* 288 neurons of layer 1. They copy what they attend to, whatever it is; the choice of neurons does not change which heads come first.

# %% tags=["numbers"]
claim("L0H4 out", lost[0, 4], text=1.00, within=0.04)
claim("L0H3 out", lost[0, 3], text=0.37, within=0.1)
claim("L0H5 out", lost[0, 5], text=0.22, within=0.1)
claim("L0H4 to =", looks[2][0, 4], text=1.00, within=0.01)
claim("sums without L0H4", broken, text=0.01, within=0.03)
claim(
    "L0H3 everywhere",
    1 - accepts(without_heads(model, [(0, 3)]), chosen_hits),
    text=0.00,
    within=0.04,
)
claim("L2H2, full", scores["full"][2, 2], text=0.27, within=0.02)
claim("L2H0, full", scores["full"][2, 0], text=0.23, within=0.02)
claim("random neurons", baseline[2, [0, 2]].max(), text=0.16, within=0.02)
claim("L1H5, diagonal", scores["diagonal"][1, 5], text=0.05, within=0.01)
assert ranked["full"][:2] == [(2, 2), (2, 0)] and layer_2[:2] == ranked["full"][:2]
assert set(ranked["diagonal"]) == set(top_heads(copying, 3)) <= set(attending)
assert to_target[0].max() < 0.1 and looks[4][0, 5] + looks[8][0, 5] > 0.5
assert lost[2].max() < 0.05 and lost.flatten().sort(descending=True).values[3] < 0.1

# %% [markdown]
# ## 9. One, two, three heads
#
# Now take out the first one, two, three of each ranking, everywhere, on the *test* puzzles. Control: all single heads, all pairs and 40 triples **of one layer**, as the rankings' sets are (but for the full ranking's third head). L0H4 and L0H5 are left out of the control, since they do harm alone (section 8). The control runs on every fourth hit.

# %%
out = {}  # shares of hits with their exact intervals: of one hit a puzzle, so they are independent
for name in ("full", "diagonal", "attention"):
    for n in (1, 2, 3):
        with without_heads(model, ranked[name][:n]):
            out[n, name] = success_rate_ci(verification.accepted(model, hits).tolist())
    found = [out[n, name] for n in (1, 2, 3)]
    print(name, *(f"{f.point_estimate:.2f} ({f.ci_low:.2f} to {f.ci_high:.2f})" for f in found))

some_hits = hits.where(torch.arange(len(hits.pos), device=cfg.device) % 4 == 0)
free = [head for head in everyone if head not in ((0, 4), (0, 5))]
draw = torch.Generator().manual_seed(0)
sets = {
    n: [c for c in combinations(free, n) if len({layer for layer, _ in c}) == 1] for n in (1, 2, 3)
}
sets[3] = [sets[3][i] for i in torch.randperm(len(sets[3]), generator=draw)[:40]]
levels = {
    n: {c: accepts(without_heads(model, c), some_hits) for c in each} for n, each in sets.items()
}
stopped = {n: [c for c, level in each.items() if level < 0.1] for n, each in levels.items()}
print({n: [" ".join(map(head_name, c)) for c in each] for n, each in stopped.items()})
plots.lines(
    {f"{n} of {len(levels[n])}": sorted(levels[n].values())[:20] for n in (1, 2, 3)},
    title="Of all pairs of one layer, few stop acceptance: L2H0 with L2H2 is one",
    x="sets of heads, the most harmful first",
    y="hits accepted without",
).update_layout(legend_title_text="heads out, of so many sets")

# %% [markdown]
# By the full ranking: **0.98**, **0.00**, **0.00** for one, two, three heads. By the diagonal: **0.90**, **0.17**, **0.01**. By attention: **1.00**, **0.17**, **0.01**. Of **71** pairs, **2** leave less than a tenth of the hits accepted: L2H0 with L2H2, and two attending heads of layer 1. No single one of the 22 does.
#
# So who finds the causal heads? The full ranking finds the *pair* that carries the verdict to the bracket. The diagonal and attention find members of the group that carries the target to the result. Knock-outs find what stands alone, and are blind to both groups, because the members stand in for each other.

# %% tags=["numbers"]
claim("full, 1", out[1, "full"].point_estimate, text=0.98, within=0.05)
claim("full, 2", out[2, "full"].point_estimate, text=0.00, within=0.05)
claim("full, 3", out[3, "full"].point_estimate, text=0.00, within=0.05)
claim("diagonal, 1", out[1, "diagonal"].point_estimate, text=0.90, within=0.06)
claim("diagonal, 2", out[2, "diagonal"].point_estimate, text=0.17, within=0.1)
claim("diagonal, 3", out[3, "diagonal"].point_estimate, text=0.01, within=0.05)
claim("attention, 1", out[1, "attention"].point_estimate, text=1.00, within=0.05)
claim("attention, 2", out[2, "attention"].point_estimate, text=0.17, within=0.1)
claim("attention, 3", out[3, "attention"].point_estimate, text=0.01, within=0.05)
claim("pairs", len(levels[2]), text=71, within=0.1)
claim("pairs that stop it", len(stopped[2]), text=2, within=0.1)
assert ((2, 0), (2, 2)) in stopped[2] and not stopped[1]
assert all(set(pair) <= set(attending) for pair in stopped[2] if pair != ((2, 0), (2, 2)))

# %% [markdown]
# ### When it cannot tell that it is done
#
# Until now the texts were given. Let the model write on by itself from the header, with heads out, for at most 110 words. *Predict first:* what will it do when it hits the target?
#
# We also ask whether it can still **play**: are its first three tries legal?

# %%
asked = puzzles[150:190]
GROUPS = {
    "none": [],
    "L2H0, L2H2": ranked["full"][:2],
    "full ranking's three": ranked["full"],
    "attending heads": attending,
}


def plays(heads) -> tuple[dict[str, float], str]:
    """How the model plays without some heads, from the header on; and the first text."""
    with without_heads(model, heads):
        words = verification.write(model, [puzzle.header for puzzle in asked], n_tokens=110)
    return countdown.habits(asked, words), " ".join(words[0])


play = {name: plays(heads) for name, heads in GROUPS.items()}
print("without L2H0, L2H2:", play["L2H0, L2H2"][1])
play = {name: found for name, (found, _) in play.items()}
columns = list(play["none"])
plots.table(
    [(name, *(f"{found[c]:.2f}" for c in columns)) for name, found in play.items()],
    columns=["heads out", *columns],
)

# %% [markdown]
# Without L2H0 and L2H2 it *reaches* the target with a legal try in **0.65** of the puzzles (whole: **0.88**), says no each time, and goes on: **0.00** of its hits are accepted, and it makes **5.7** tries, until the words run out, where it made **3.4**. After a success that it misses it does what it has learnt to do after a failure. It plays a little worse, too: of its first three tries **0.81** are legal, not **1.00**.
#
# Without the *three* of the full ranking, **0.00** of its tries are legal, and without the attending heads **0.13**. By accepted hits alone, both would count as a success of disabling. The third of the ranking, L0H1, breaks the sums: section 10 counts them. **Always ask what else you broke.**

# %% tags=["numbers"]
pair = play["L2H0, L2H2"]
claim("reached, pair", pair["reached"], text=0.65, within=0.1)
claim("reached, none", play["none"]["reached"], text=0.88, within=0.06)
claim("accepted, pair", pair["hits accepted"], text=0.00, within=0.05)
claim("tries, pair", pair["tries"], text=5.7, within=0.5)
claim("tries, none", play["none"]["tries"], text=3.4, within=0.5)
claim("legal, pair", pair["legal, first three"], text=0.81, within=0.08)
claim("legal, none", play["none"]["legal, first three"], text=1.00, within=0.02)
claim("legal, three", play["full ranking's three"]["legal, first three"], text=0.00, within=0.05)
claim("legal, attending", play["attending heads"]["legal, first three"], text=0.13, within=0.1)
assert pair["solved"] == 0

# %% [markdown]
# ## 10. Beside the paper's table
#
# The paper sums up its steps in one table: the share of checks that are **disabled**, true hits no longer accepted. Here is ours, for **three models** that differ by the seed of their training alone. All steps follow fixed rules (`verification.steps_to_disable`: threshold `0.1`, 20 neurons a layer and sign, three heads), on puzzles to choose on; the shares are measured on others, with exact (binomial) 95% intervals.
#
# Rows of ours: the top head alone, neurons of layer 1 by the result's probe (section 6), and three random heads (mean of six draws). And two columns that the paper does not show. **AUC**: do verdicts still rank hits above misses (section 6)? **Sums**: at the last `=` before a hit, is the word that the model finds likeliest the one that it wrote when it was whole?

# %%
SEEDS = ("variable_0", "variable_1", "variable_2")


studies, abilities = (
    {SEEDS[0]: verification.disabling(model, chosen, hits, misses)},
    {SEEDS[0]: ability},
)
for name in SEEDS[1:]:
    other = load(f"countdown/{name}")
    *some_positions, other_misses, abilities[name] = verification.judged_positions(other, 200)
    third = torch.arange(len(other_misses.pos), device=cfg.device) % 3 == 0
    studies[name] = verification.disabling(other, *some_positions, other_misses.where(third))
# `other` is variable_2 now: where does its top head look from the bracket?
after_target = verification.attention(other, some_positions[1], some_positions[1].target + 1).mean(
    -1
)
for name, study in studies.items():
    parts, can = study["parts"], abilities[name]
    print(
        f"{name}: solved {can['solved']:.2f}, verdicts {can['verdicts right']:.3f}, layer 2:",
        end=" ",
    )
    print({spot: round(value, 2) for spot, value in study["layer 2"].items()})
    print("  attend:", *map(head_name, parts.attending), "| top:", *map(head_name, parts.top))

PAPER = {
    "GLU valid": "16.3%",
    "GLU valid and invalid": "44.7%",
    "attending heads": "96.0% (33 heads)",
    "top 3 heads": "95.3%",
}


def shares(step: str) -> list[str]:
    spelled = []
    for found in (studies[name]["steps"][step] for name in SEEDS):
        ends = (100 * end for end in found.get("interval", ()))
        to = "({:.0f} to {:.0f})".format(*ends) if "interval" in found else ""
        spelled.append(f"{100 * found['disabled']:.0f}% {to}".rstrip())
    return spelled


def three(step: str, key: str) -> list[float]:
    return [studies[name]["steps"][step][key] for name in SEEDS]


plots.table(
    [
        (
            step,
            *shares(step),
            " · ".join(f"{value:.2f}" for value in three(step, "auc")),
            " · ".join(f"{100 * value:.0f}%" for value in three(step, "sums")),
            PAPER.get(step, ""),
        )
        for step in studies["variable_0"]["steps"]
    ],
    columns=[
        "taken out",
        *(f"disabled, {name}" for name in SEEDS),
        "AUC, three seeds",
        "sums right, three seeds",
        "paper: disabled, 3B, n = 300",
    ],
)

# %% [markdown]
# Read it row by row.
#
# - **Neurons by the bracket's probe**, both kinds: at most **1%** disabled in any seed; the paper has `44.7%`. This did *not* replicate. But in `variable_2` the AUC falls to **0.73**: the model accepts most *misses* too (**83%**). The check is hurt, towards yes, and the share cannot see it.
# - **Neurons by the result's probe**: **98%**, **100%** and **0%** disabled, by seed, and the AUC stays at **0.97** or above in each. Where it "disables", the model says no to hits and misses alike, but hits still rank first. And `variable_2` has little to find at the result: before block 2 the result knows with an AUC of **0.54** and the *bracket* with **1.00**. In the others it is the other way round.
# - **Attending heads**: **100%**, **100%**, **0%**. In `variable_2` one head just passes, and the check does not need it. In `variable_1` a head of layer 0 is among them, and **3%** of the sums are right.
# - **Top 3 heads**: **100%**, **74%**, **0%** disabled. By this share the third seed looks untouched. Its AUC is **0.53**: without the three it accepts *everything*, hits and misses. The AUC is at most **0.59** in every seed: little of the check is left in any. But the sums stay right in `variable_1` alone (**3%**, **100%**, **54%**).
# - **The top head**: **2%**, **100%**, **99%**, with **100%** of the sums right in each seed. In `variable_0` it has a twin: L2H0 and L2H2 together leave an AUC of **0.59**.
# - **Three random heads**: on average at most **16%**, and an AUC of **0.97** or more. But they break sums too, in two of three seeds.
#
# So one or two heads that the full ranking names first take nearly all of the check away in each seed, with the sums intact. Which heads, and even *where* the check is made, differs between models that learnt from the same program. And the paper's share, alone, would have called one of the three untouched. One model is an anecdote, and one measure too.

# %% tags=["numbers"]
both_kinds, result_kind = "GLU valid and invalid", "layer 1 GLU, result's probe"


def per_cent(step: str) -> list[float]:
    return [100 * each for each in three(step, "disabled")]


claim("GLU, bracket, most", max(per_cent(both_kinds)), text=1, within=2)
claim("GLU, bracket, AUC, 2", three(both_kinds, "auc")[2], text=0.73, within=0.06)
claim("GLU, bracket, misses, 2", 100 * three(both_kinds, "false")[2], text=83, within=8)
claim("GLU, result, 0", per_cent(result_kind)[0], text=98, within=3)
claim("GLU, result, 1", per_cent(result_kind)[1], text=100, within=3)
claim("GLU, result, 2", per_cent(result_kind)[2], text=0, within=3)
claim("its AUC, least", min(three(result_kind, "auc")), text=0.97, within=0.03)
claim("variable_2, result", studies["variable_2"]["layer 2"]["result"], text=0.54, within=0.08)
claim("variable_2, bracket", studies["variable_2"]["layer 2"]["bracket"], text=1.00, within=0.02)
claim("attending, 0", per_cent("attending heads")[0], text=100, within=3)
claim("attending, 1", per_cent("attending heads")[1], text=100, within=3)
claim("attending, 2", per_cent("attending heads")[2], text=0, within=3)
claim("its sums, variable_1", 100 * three("attending heads", "sums")[1], text=3, within=4)
claim("top 3, 0", per_cent("top 3 heads")[0], text=100, within=8)
claim("top 3, 1", per_cent("top 3 heads")[1], text=74, within=8)
claim("top 3, 2", per_cent("top 3 heads")[2], text=0, within=8)
claim("AUC, variable_2", three("top 3 heads", "auc")[2], text=0.53, within=0.08)
claim("AUC, most", max(three("top 3 heads", "auc")), text=0.59, within=0.06)
claim("top 3, sums, 0", 100 * three("top 3 heads", "sums")[0], text=3, within=8)
claim("top 3, sums, 1", 100 * three("top 3 heads", "sums")[1], text=100, within=8)
claim("top 3, sums, 2", 100 * three("top 3 heads", "sums")[2], text=54, within=8)
claim("top head, 0", per_cent("top head")[0], text=2, within=4)
claim("top head, 1", per_cent("top head")[1], text=100, within=4)
claim("top head, 2", per_cent("top head")[2], text=99, within=4)
claim("its sums, least", 100 * min(three("top head", "sums")), text=100, within=2)
first_two = ranked["full"][:2]
pair_odds = log_odds(without_heads(model, first_two))
claim("pair, AUC", verification.verdict_auc(*pair_odds), text=0.59, within=0.08)
claim("random, most", max(per_cent("3 random heads")), text=16, within=5)
claim("random, AUC", min(three("3 random heads", "auc")), text=0.97, within=0.03)
assert sum(value < 0.9 for value in three("3 random heads", "sums")) == 2
assert three("top 3 heads", "false")[2] > 0.98 and studies["variable_2"]["parts"].attending == [
    (2, 6)
]
assert all(studies[name]["layer 2"]["result"] > 0.95 for name in SEEDS[:2])
assert all(studies[name]["layer 2"]["bracket"] < 0.75 for name in SEEDS[:2])
with without_heads(model, first_two):
    assert verification.sums_right(model, hits).mean() > 0.98
assert max(three("top head", "auc")[1:]) < 0.65

# %% [markdown]
# ## 11. Two traps
#
# ### The attention criterion in another world
#
# `fixed_0` learnt from texts without fillers: the target is always the second word, and a model can fetch it by its position. *Predict first:* will the heads it needs look at the target? Its heads, by knock-out and by attention to the target, on puzzles to choose on:

# %%
fixed = load("countdown/fixed_0")
fixed_chosen, fixed_hits, _, fixed_ability = verification.judged_positions(
    fixed, 200, variable=False
)
fixed_known, _ = right_verdicts(fixed_chosen, fixed)
fixed_target = torch.stack(
    [
        verification.attention(fixed, fixed_known, fixed_known.target, back=back).mean(-1)
        for back in (0, 1)
    ]
).amax(0)
fixed_lost = lost_alone(fixed, fixed_known)
(most_needed,) = top_heads(fixed_lost, 1)
fixed_attending = [head for head in everyone if fixed_target[head] > 0.1]
tests = {
    "most needed": 1 - accepts(without_heads(fixed, [most_needed]), fixed_hits, fixed),
    "all attending": 1 - accepts(without_heads(fixed, fixed_attending), fixed_hits, fixed),
}
print({name: round(value, 3) for name, value in fixed_ability.items()})
print("most needed:", head_name(most_needed), "| attend:", *map(head_name, fixed_attending))
print("lost on test puzzles:", {name: round(value, 2) for name, value in tests.items()})
plots.heatmap(
    {"hits lost, head alone out": fixed_lost, "attention to the target": fixed_target},
    title="Fixed header: the head that is needed most does not look at the target",
    x="head",
    y="layer",
    ends=(0, 1),
    text="values",
)

# %% [markdown]
# The head that is needed most, L1H6, gives the target **0.01** of its attention. Without it **0.47** of the hits are lost on the test puzzles. A search by attention to the target misses this head. It attends from the bracket to the result (**1.00**): what it brings comes from the result, not from the target's position.
#
# But the *group* of the attending heads is again needed: without them **0.96** of the hits are lost. And it is not the fixed header that sets the trap: in `variable_0` attention misses L0H4 and the pair of layer 2, in `variable_1` L2H3, in `variable_2` L1H3, its top head. That one looks from the bracket at the word *after* the target, `from`, with **1.00**: layer 0 has moved the target there (our reading). A criterion by attention to the target finds heads that fetch the target in one step, and who does the rest it cannot say.

# %% tags=["numbers"]
claim("fixed, L1H6 to the target", fixed_target[1, 6], text=0.01, within=0.02)
to_result = verification.attention(fixed, fixed_known, fixed_known.pos - 1).mean(-1)
claim("fixed, L1H6 to the result", to_result[1, 6], text=1.00, within=0.03)
claim("fixed, L1H6 out", tests["most needed"], text=0.47, within=0.1)
claim("fixed, attending out", tests["all attending"], text=0.96, within=0.05)
assert most_needed == (1, 6) and most_needed not in fixed_attending
claim("variable_2, L1H3 to `from`", after_target[1, 3], text=1.00, within=0.02)
for name, head in (("variable_1", (2, 3)), ("variable_2", (1, 3))):
    assert studies[name]["parts"].top[0] == head and head not in studies[name]["parts"].attending

# %% [markdown]
# ### Needed is not enough
#
# A head whose removal stops the verdict is *needed*. Does it *carry* the verdict? Then its state from a hit, put into a miss, should make the model accept. Removal cannot tell this: a head that keeps the position in order is needed too.
#
# ### Exercise 7 · put a head's state in (15 minutes, medium)


# %% tags=["exercise:utils.cases.verification.put_head"]
def put_head(
    z: Float[Tensor, "text pos head d_head"],
    head: int,
    text: Int[Tensor, " position"],
    pos: Int[Tensor, " position"],
    states: Float[Tensor, "position d_head"],
) -> Float[Tensor, "text pos head d_head"]:
    """A copy of `z` in which one head has other states at the given positions.

    Args:
        z: a layer's head outputs.
        text, pos: of each position to change: which text it is in, and where there.
        states: the head's new output at each of them.
    """
    ### BEGIN SOLUTION
    z = z.clone()
    z[text, pos, head] = states.to(z)
    return z
    ### END SOLUTION


# %% tags=["check"]
put_head = lesson_51.check_put_head(put_head)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# One position, in text 2 at 9, head 4: `z[2, 9, 4]` is the vector to replace. Now for all positions at once; the head is the same for all.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `text` and `pos` are tensors and `head` is a number: in one index they go together, `z[text, pos, head]`, of shape [position, d_head]. Clone first.
#
# </details>

# %% [markdown]
# Each miss gets states from a **donor** among the puzzles to choose on, at the bracket and at the result. Which donor? A hit's head may hold the *verdict*, or only the target's value, which means something else in another text. So take three kinds:
#
# - another **miss**: a control;
# - an **other hit**, whose target is not what this miss has as its result;
# - a **matched hit**, whose target *equals this miss's result*.
#
# *Predict first:* what will L0H4 do, without which everything stops? And for which donors will the attending heads be enough?

# %%
donor_misses = chosen.where(~chosen.hit & (chosen.pos < 64))
draw = torch.Generator().manual_seed(0)


def donors_from(pool, allowed: torch.Tensor):
    """One of the allowed [position, donor] for each position, at random."""
    return pool.take(torch.multinomial(allowed.float(), 1, generator=draw)[:, 0])


given = misses.where(verification.same_value(chosen_hits, misses).any(1).to(misses.pos.device))
match = verification.same_value(chosen_hits, given)
donors = {
    "miss": donors_from(donor_misses, ~verification.same_value(donor_misses, given)),
    "other hit": donors_from(chosen_hits, ~match),
    "matched hit": donors_from(chosen_hits, match),
}
PARTS = {
    "L0H4, L0H5": {"heads": [(0, 4), (0, 5)]},
    "attending heads, at the result": {"heads": attending, "backs": (1,)},
    "L2H0, L2H2": {"heads": [(2, 0), (2, 2)]},
    "MLP 1, at the result": {"whole": ["blocks.1.hook_mlp_out"], "backs": (1,)},
    "stream, result, before block 1": {"whole": ["blocks.1.hook_resid_pre"], "backs": (1,)},
    "stream, result, before block 2": {"whole": ["blocks.2.hook_resid_pre"], "backs": (1,)},
}


def put_in(source: str, **parts) -> float:
    return accepts(verification.put_in(model, given, donors[source], **parts), given)


patched = {
    name: {source: put_in(source, **each) for source in donors} for name, each in PARTS.items()
}
needed = {
    name: 1 - accepts(without_heads(model, PARTS[name]["heads"], positions=hits))
    for name in list(PARTS)[:3]
}
print(f"{len(given.pos)} of {len(misses.pos)} misses have a matched hit")
plots.table(
    [
        (
            name,
            f"{needed[name]:.2f}" if name in needed else "",
            *(f"{found[source]:.2f}" for source in donors),
        )
        for name, found in patched.items()
    ],
    columns=["", "hits lost without", *(f"misses accepted, donor: {source}" for source in donors)],
)

# %%
enough = torch.tensor([put_in("matched hit", heads=[head]) for head in everyone]).view(3, -1)
plots.heatmap(
    {"needed: hits lost without it": lost, "enough: misses accepted with it": enough},
    title="Alone, the heads that are needed are not those that are enough",
    x="head",
    y="layer",
    ends=(0, 1),
    text="values",
)

# %% [markdown]
# Three groups, three answers.
#
# - **L0H4 and L0H5** are needed, and their states are enough for **0.00** of the misses, from whatever hit. They prepare; they do not carry.
# - **L2H0 and L2H2** are needed as a pair, and enough (**1.00**), from *any* hit: they carry the verdict itself. L2H2 alone is not needed, and from a matched hit enough for **0.83**.
# - **The attending heads** are needed as a group (**1.00** of the hits lost, with the sums untouched). From another hit they are enough for **0.00**: a test with unmatched donors would have ended here, with "needed, not enough". From a matched hit they are enough for **1.00**. They carry the *target's value* to the result: give a miss a target that equals its result, and the model says that it is done.
#
# So the match is in none of the heads of layers 0 and 1 in this table. It is made after the attending heads, in MLP 1: the output of this MLP at the result is enough from any hit (**1.00**). The stream tells the same story: a hit's stream at the result is enough before block 2 (**1.00**), and not before block 1 (**0.03**). From another *miss*, all this gives **0.01** at most.
#
# As far as these tests tell, in `variable_0`: L0H4 marks the result as one, heads of layer 1 fetch the target there, MLP 1 compares, L2H0 and L2H2 carry the verdict to the bracket, MLP 2 makes it louder.

# %% tags=["numbers"]
attend_at, pair_in = patched["attending heads, at the result"], patched["L2H0, L2H2"]
claim("layer 0, both", max(patched["L0H4, L0H5"].values()), text=0.00, within=0.03)
claim("pair, other hit", pair_in["other hit"], text=1.00, within=0.05)
claim("L2H2", enough[2, 2], text=0.83, within=0.12)
claim("attending, needed", needed["attending heads, at the result"], text=1.00, within=0.03)
claim("attending, other hit", attend_at["other hit"], text=0.00, within=0.05)
claim("attending, matched hit", attend_at["matched hit"], text=1.00, within=0.05)
claim("MLP 1", patched["MLP 1, at the result"]["other hit"], text=1.00, within=0.05)
streams = [patched[f"stream, result, before block {layer}"]["other hit"] for layer in (1, 2)]
claim("stream before 1", streams[0], text=0.03, within=0.05)
claim("stream before 2", streams[1], text=1.00, within=0.05)
claim("from misses", max(found["miss"] for found in patched.values()), text=0.01, within=0.04)
assert needed["L2H0, L2H2"] > 0.97 and needed["L0H4, L0H5"] > 0.97 and pair_in["matched hit"] > 0.95
assert enough[0].max() < 0.05 and enough[2, 2] > lost[2, 2] + 0.4

# %% [markdown]
# ## What you found
#
# The numbers stand beside the paper's in section 10. In words:
#
# - In two of three seeds a probe reads the verdict one word before the bracket, in another direction; in the third, at the bracket. In `variable_0`, patches show that it is also *made* at the result.
# - Neurons by their direction: where the paper's rule looks, they are not needed in two of three seeds; in `variable_2` the check is hurt without them, towards yes. By the result's probe they seem to be needed in two seeds, but the verdicts still rank hits first.
# - Heads by what they write into neurons: the full ranking's first one or two take nearly all of the check away in each seed. The diagonal finds copying heads, for any neurons.
# - In `variable_0`, the heads that fetch the target are, as a group, needed *and* enough, once the donor matches.
#
# What it does **not** show: how a model that learnt by reward checks itself. Ours imitates searches whose verdicts are always right, so that a check is the only way to a low loss; a model that is rewarded for the last answer alone need not check, and if it does, need not do it like this. Nor have we shown *how* MLP 1 compares: only that it does, there.
#
# ## Questions to discuss
#
# 1. Neither L2H0 nor L2H2 is needed alone, and each carries the verdict. Why may training have made two? What experiment would tell a spare from two halves?
# 2. The diagonal ranking asks for heads that *copy* a receptive field. Why might heads that fetch the target score on it?
# 3. Which result of section 10 would you report if you could report one number for "disabling the check"? What would you have to report beside it?
# 4. Without its check the model plays worse. Is that because it cannot tell that it is done, or because no text it learnt from goes on after a success? Write `not N` over a success of the *whole* model, let it go on, and compare.
#
# ## Common mistakes
#
# - Labelling positions by what the model *says*: then you find what makes it speak, never where it is wrong.
# - Probing only where the answer is said. The verdict may have been made before, in another direction.
# - Splitting positions and not puzzles: positions of one puzzle share their target.
# - Reading "not needed alone" as "does nothing": take out pairs and groups.
# - Reading "acceptance stops" as "the check is disabled": ask for the sums, and for legal tries.
#
# ## Where this breaks
#
# Three models of one size, one game, traces made by a program. Zeroing a head puts the stream where it has never been, and at *all* positions it changes the sums as well; section 11's patches are milder, but a hit's state in a miss is not a state that the model makes there either. The rankings use the gate's weights alone: a neuron's in-vector is as important, and neither the norm's division nor attention is in them. With about 100 hits in `variable_0`, and 70 in the others, a true rate of `0.03` can look like none: about once in 20 times, and once in 8.
#
# ## Further reading
#
# - Lee et al. (2025), *The Geometry of Self-Verification in a Task-Specific Reasoning Model*, arXiv 2504.14379: the study that this lesson follows
# - Marks and Tegmark (2023), *The Geometry of Truth*, arXiv 2310.06824: difference-of-means probes
# - Turner et al. (2023), on steering by activation addition, arXiv 2308.10248
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.3 · Features of a real model, and of a random one](43_features.ipynb) | **Next:** [5.2 · Keep thinking or stop](52_keep_thinking.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/52_keep_thinking.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("51")
