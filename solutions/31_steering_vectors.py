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
# # 3.1 · Steering vectors, and what they cost
#
# [![Open lesson 3.1 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/31_steering_vectors.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.4 · Belief states](24_belief_states.ipynb) | **Next:** [3.2 · The emotion circle](32_emotion_circle.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/24_belief_states.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/32_emotion_circle.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. build a steering vector, read it, and write the hook that adds it while a model writes, cache and all;
# 2. draw effect against cost over layers and doses, and tell what works through the model from what only adds words;
# 3. build the control for a contrast vector, and compare steering with a request at equal cost.
#
# **Time** an hour for the core, and half an hour for *Going deeper*. **Needs** lesson 2.1: difference of means, the bootstrap by group; 1.4: hooks.
# **Runs** in about a minute and a half on a laptop's processor.
#
# **First, play.** The next cell but one shows how SmolLM2-135M goes on from four openings: by itself, when it is *asked* to write about the sea, and when a vector for "the sea" is added inside it, softly and hard. Which of the three ways would you choose? The cell after it lets you try your own.

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

# %% tags=["folded"]
# The imports, the model, the vectors of three concepts; and four openings, each continued in four ways.
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.concepts import task as concepts
from utils import plots
from utils.checks import lesson_31
from utils.checks.predict import outcome, predict
from utils.generation import sample
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap
from utils.steering import at_dose, steer, typical_norm
from utils.writing import contrast, figures
from utils.writing.contrast import padded
from utils.writing.fluency import token_losses

model = load()
cfg = model.cfg
END, N_TOKENS = f"blocks.{cfg.n_layers - 1}.hook_resid_post", 20
to_choose, to_test, to_confirm = (
    concepts.openings(part=part) for part in ("choose", "test", "confirm")
)
LAYERS = (5, 10, 15, 20, 25)
norms = {layer: typical_norm(model, to_choose, layer=layer) for layer in LAYERS}
given = {
    concept: contrast.contrast_vectors(
        model, *zip(*concepts.pairs(concept, part="fit"), strict=True), layers=range(cfg.n_layers)
    )
    for concept in concepts.CONCEPTS
}


def to_rows(openings: Sequence[str], *, before: str = concepts.BOS) -> Tensor:
    """Token ids with BOS, [opening, pos]; all openings have six tokens."""
    return torch.cat([model.to_tokens(before + text, prepend_bos=False) for text in openings])


def asking(what: str) -> str:
    """A request in the chat format, to put before an opening."""
    return concepts.REQUEST.format(concepts.WANTED[what])


def continued(vectors: Tensor, openings: Sequence[str], *, layer: int = 20, before=concepts.BOS):
    """How the model goes on, with row i's vector added at every token but BOS."""
    with steer(model, vectors[:, None], layer=layer, positions=slice(1, None)):
        return model.tokenizer.batch_decode(
            sample(model, to_rows(openings, before=before), n_tokens=N_TOKENS)
        )


four, push = to_choose[:4], at_dose(given["sea"][20], 1.0, norm=norms[20])
nothing = torch.zeros(4, cfg.d_model)
by_dose = continued(torch.cat([nothing + dose * push for dose in (0, 0.2, 0.7)]), four * 3)
on_request = continued(nothing, four, before=asking("sea"))
plots.table(
    list(zip(four, by_dose[:4], on_request, by_dose[4:8], by_dose[8:], strict=True)),
    columns=["opening", "by itself", "asked for the sea", "steered, dose 0.2", "steered, dose 0.7"],
)


# %%
def write(concept: str, layer: int, dose: float, opening: str) -> tuple[str, str]:
    """20 tokens after an opening, without and with steering."""
    norm = typical_norm(model, to_choose, layer=layer)
    vector = at_dose(given[concept][layer], dose, norm=norm)
    texts = continued(torch.stack([0 * vector, vector]), [opening] * 2, layer=layer)
    return opening + texts[0], opening + texts[1]


figures.side_by_side(
    write,
    names=("unsteered", "steered"),
    concept=list(concepts.CONCEPTS),
    layer=(20, 1, 29, 1),
    dose=(0.3, -1.0, 1.0, 0.1),
    opening="The best thing about my town is",
)

# %% [markdown]
# ## 1. What to steer to, and how to score it
#
# A probe *reads* a concept along a direction. **Steering** *writes*: a vector is added to the residual stream at one layer while the model runs, and its weights stay. Three concepts, each given by 48 **contrast pairs**, nearly the same sentence with the concept and without it: positive sentiment, formality, and the sea (`data/concepts/README.md`). 30 pairs of each make the vectors.
#
# Texts are scored from -1 to 1. For sentiment by VADER, a lexicon of words rated by people; for the other two by a small classifier of letter groups, trained on text that this model wrote when *asked* for the concept. How good are these instruments, and can the model write such text at all? The table asks for each concept before 24 openings, and subtracts the score of the text without a request.

# %% tags=["folded"]
# Each instrument: on subjects it was not trained on, on the hand-written pairs, and on request.
shipped = concepts.steered_texts()  # what data/steering_sweep/make.py wrote
TEST, CONFIRM = slice(0, 24), slice(24, 48)
unsteered = shipped["unsteered", "", 0.0]
plain = {c: unsteered.score(c).mean(0) for c in concepts.CONCEPTS}  # of each opening


def effect_of(method: str, concept: str, dose: float = 0.0, scored_on: str = "") -> Tensor:
    """Change of score against unsteered text, a mean over samples, [opening]."""
    scores = shipped[method, concept, dose].score(scored_on or concept)
    return scores.mean(0) - plain[scored_on or concept]


def with_ends(values: Tensor, groups: Sequence[str] | None = None) -> tuple[float, float, float]:
    """A mean with the ends of its 95% interval."""
    return values.mean().item(), *bootstrap(values, groups=groups)


def spelled(ends: Sequence[float]) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(*ends)


accuracy, on_pairs, gate = {}, {}, {}
for c in concepts.CONCEPTS:
    yes, no = (concepts.score(c, side) for side in zip(*concepts.pairs(c), strict=True))
    on_pairs[c] = (yes > no).float().mean().item()
    gate[c] = with_ends(effect_of("request", c)[TEST])
    if c != "sentiment":
        tool = concepts.classifier(c)
        accuracy[c] = with_ends(tool.right, tool.subjects)
plots.table(
    [
        (
            c,
            spelled(accuracy[c]) if c in accuracy else "not trained",
            f"{on_pairs[c]:.2f}",
            spelled(gate[c]),
        )
        for c in concepts.CONCEPTS
    ],
    columns=["concept", "right on new subjects", "right half of a pair higher"]
    + ["change of score when asked (95% interval over openings)"],
)

# %% [markdown]
# The instruments are usable and noisy. The classifiers' intervals are over subjects, of which only four (formality) and eight (the sea) were held out. The model can do what it is asked: each change is above 0.
#
# ## 2. Build the vector
#
# **Contrast vectors** are the difference of means of lesson 2.1. Rimsky and colleagues (*contrastive activation addition*, CAA) read the token of the answer letter, in questions with two answers, and scale the vectors of all behaviours to one length at each layer. Here a sentence is read at all its tokens, since the vector will be added at all tokens; and a *dose* sets the length.
#
# ### Exercise 1 · a contrast vector (12 minutes, medium)
#
# `padded(model, texts)` is given: it returns tokens [text pos], padded on the right, and a mask `is_text` [text pos], False at BOS and at padding. `cache["resid_pre", layer]` is the stream before a block, [text pos d_model].


# %% tags=["exercise:utils.writing.contrast.contrast_vectors"]
def contrast_vectors(
    model, with_concept: Sequence[str], without: Sequence[str], *, layers: Sequence[int]
) -> Float[Tensor, "layer d_model"]:
    """The contrast vector of a concept at each of some layers: a difference of two means.

    A text's vector at a layer is the mean of the residual stream before that block over the
    tokens of the text, without BOS and without padding. Every text counts alike, however long.
    After contrastive activation addition (Rimsky et al., arXiv 2312.06681), which reads one token.

    Args:
        model: a TransformerBridge. `padded(model, texts)` gives its tokens and where text is.
        with_concept: sentences with the concept.
        without: sentences without it.
    """
    ### BEGIN SOLUTION
    means = []
    for texts in (with_concept, without):
        tokens, is_text = padded(model, texts)
        _, cache = model.run_with_cache(
            tokens, names_filter=lambda name: name.endswith("hook_resid_pre")
        )
        resid = torch.stack([cache["resid_pre", layer] for layer in layers])
        of_text = (resid * is_text[..., None]).sum(2) / is_text.sum(1)[:, None]
        means.append(of_text.mean(1))
    return means[0] - means[1]
    ### END SOLUTION


# %% tags=["check"]
contrast_vectors = lesson_31.check_contrast_vectors(contrast_vectors)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each of the two lists: tokens and mask, `model.run_with_cache(tokens)`, the streams of the layers in one tensor [layer text pos d_model] with `torch.stack`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Multiply by `is_text[..., None]`, sum over positions, divide by `is_text.sum(1)[:, None]`: a vector for each text. Then the mean over texts, and the difference of the two means. `names_filter=lambda name: name.endswith("hook_resid_pre")` saves memory.
#
# </details>

# %%
with_sea, without_sea = zip(*concepts.pairs("sea", part="fit"), strict=True)
yours = contrast_vectors(model, with_sea, without_sea, layers=range(cfg.n_layers))
vectors = given | {"sea": yours}  # concept -> [layer, d_model]; the others were made above
plots.table(
    [(c, *(f"{vectors[c][layer].norm() / norms[layer]:.2f}" for layer in LAYERS)) for c in vectors],
    columns=["length of the vector over the typical norm", *(f"layer {i}" for i in LAYERS)],
)

# %% [markdown]
# Lengths differ from concept to concept and from layer to layer, so "coefficient 10" says little. The unit here is the **typical norm**: the median length of the stream at that layer. A **dose** of `0.3` is a vector three tenths as long.
#
# ## 3. Read the vector
#
# What does the vector say? Send it through the final norm's weight and the unembedding, as in direct logit attribution: that is what it adds to the logits *directly*, if no block above uses it.
#
# ### Exercise 2 · the words of a vector (5 minutes, easy)


# %% tags=["exercise:utils.writing.contrast.read_vector"]
def read_vector(model, vector: Float[Tensor, " d_model"], *, k: int) -> tuple[list[str], list[str]]:
    """The tokens that a vector in the residual stream raises most, and lowers most, directly.

    The vector goes through the weight of the final norm and through the unembedding, as if it were
    all that the stream holds. (The norm also divides by the stream's length, which changes no
    order.)

    Returns:
        (raised, lowered): k tokens each as strings, the strongest first.
    """
    ### BEGIN SOLUTION
    logits = (vector * model.ln_final.weight) @ model.W_U
    raised, lowered = logits.topk(k).indices, (-logits).topk(k).indices
    return (
        [model.tokenizer.decode([token]) for token in raised.tolist()],
        [model.tokenizer.decode([token]) for token in lowered.tolist()],
    )
    ### END SOLUTION


# %% tags=["check"]
read_vector = lesson_31.check_read_vector(read_vector)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `(vector * model.ln_final.weight) @ model.W_U` is one number for each token of the vocabulary.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `logits.topk(k).indices` are the highest, the strongest first; `(-logits).topk(k).indices` the lowest. `model.tokenizer.decode([token])` is a token's string.
#
# </details>

# %%
predict(
    "31.words",
    "From which layer on are the words of the sea's vector about the sea?",
    choices=["layer 5", "layer 15", "layer 25", "at none"],
)

# %%
outcome("31.words", "layer 25")
plots.table(
    [
        (f"{c}, layer {layer}", *(", ".join(each) for each in read_vector(model, v[layer], k=6)))
        for c, v in vectors.items()
        for layer in (5, 15, 20, 25)
    ],
    columns=["vector", "raises most", "lowers most"],
)

# %% [markdown]
# At layer 25 it is a list of words: *reefs, vessel, seaweed* for the sea, *harmoniously, joy* against *worse, ugly* for sentiment, *yeah, huh, gonna* lowered for formality. At layers 5 and 15 the words are about nothing, and at 20 nearly so. That has two readings. Either the early vectors are no good; or they work, but through the blocks above. So steer.
#
# ## 4. The hook
#
# A model that writes keeps keys and values of what it has read, the **key-value cache**. A hook then sees the whole prompt once, and after that one position at a time. A hook that steers "positions 1 and later" must know how many went before. To forget that raises no error: the prompt is steered, and the text is not.
#
# ### Exercise 3 · a steering hook that survives the cache (10 minutes, medium)


# %% tags=["exercise:utils.writing.contrast.steering_hook"]
def steering_hook(
    vectors: Float[Tensor, "row d_model"], *, start: int = 1
) -> Callable[[Float[Tensor, "row here d_model"], object], Float[Tensor, "row here d_model"]]:
    """A hook that adds a vector to each row's stream, at all positions of the text from `start` on.

    With a key-value cache a model runs the prompt first, and then one new position at a time. So
    the hook counts: its first call sees position 0 (BOS) and those after it, and every later call
    goes on where the last one stopped. It serves one run; the next one needs a new hook.

    Args:
        vectors: one for each row of the batch.
        start: the first position that is steered.

    Returns:
        hook(resid, hook): a changed copy of `resid`.
    """
    ### BEGIN SOLUTION
    seen = 0

    def add(resid, hook=None):
        nonlocal seen
        position = seen + torch.arange(resid.shape[1], device=resid.device)
        seen += resid.shape[1]
        steered = (position >= start)[:, None]
        return resid + steered * vectors.to(resid)[:, None]

    return add
    ### END SOLUTION


# %% tags=["check"]
steering_hook = lesson_31.check_steering_hook(steering_hook)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A function inside the function. It numbers its positions `seen + torch.arange(resid.shape[1])`, and then raises `seen` by how many they were; `nonlocal seen` lets it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `(position >= start)[:, None]` is [here, 1], and `vectors[:, None]` is [row, 1, d_model]: their product has a vector for each row and position. Return `resid` plus that.
#
# </details>


# %%
def sampled(rows: Tensor, hooks: list, *, seed: int = 0, temperature: float = 0.8) -> Tensor:
    """New tokens of rows of prompts under hooks, [row, 20]; with the cache."""
    with model.hooks(fwd_hooks=hooks):
        return sample(
            model,
            rows,
            n_tokens=N_TOKENS,
            temperature=temperature,
            generator=torch.Generator().manual_seed(seed),
        )


# The test: the same text from a loop without a cache, which runs all tokens again for each new one.
place, two = "blocks.20.hook_resid_pre", to_rows(to_choose[:2])
push = at_dose(vectors["sea"][20], 0.3, norm=norms[20]).expand(2, -1)
cached = sampled(two, [(place, steering_hook(push))], temperature=0)
looped = two
with torch.no_grad():
    for _ in range(8):
        with model.hooks(fwd_hooks=[(place, steering_hook(push))]):  # each run has a new hook
            looped = torch.cat([looped, model(looped)[:, -1:].argmax(-1)], dim=1)
    unmoved = sampled(two, [], temperature=0)
same = (looped[:, two.shape[1] :] == cached[:, :8]).all().item()
print("the loop and the cache give the same text:", same)
print("unsteered:", to_choose[0] + model.tokenizer.decode(unmoved[0]))
print("steered:  ", to_choose[0] + model.tokenizer.decode(cached[0]))

# %% [markdown]
# ## 5. Effect against cost
#
# A strong push always changes the text, and broken text can still score well. So every effect gets its **cost**: how much more the *unsteered* model is surprised by the text, in nats per token. An added loss of `0.5` nats is a perplexity `1.65` times that of unsteered text, one of `1.1` three times.
#
# Layer 25 may win for a poor reason: it adds sea words to the logits, and needs no model for that. To see what is left without this **direct way**, take the vector out again after the last block. What it still does, it does through the blocks above the layer.
#
# ### Exercise 4 · the sweep (15 minutes, hard)


# %% tags=["exercise:utils.writing.contrast.dose_sweep"]
def dose_sweep(
    write: Callable[[Tensor, list], Tensor],
    measure: Callable[[Tensor], Tensor],
    prompts: Int[Tensor, "opening pos"],
    direction: Float[Tensor, " d_model"],
    *,
    layer: int,
    doses: Sequence[float],
    norm: float,
    end: str,
) -> Float[Tensor, "way dose number opening"]:
    """What steered text measures at each dose, with the direct way whole (way 0) and cut (way 1).

    All openings, doses and ways run in one batch. To cut the direct way, the same vector is taken
    out again at the hook point `end`, after the last block: what it still does, it does through the
    blocks above `layer`.

    Args:
        write: write(rows, hooks) gives new tokens [row, new] for rows of prompts [row, pos], under
            hooks, a list of (name of a hook point, hook).
        measure: measure(new) gives some numbers for each row, [row, number].
        direction: of any length.
        layer: the vector is added before this block.
        doses: lengths of the added vector over `norm`.
        norm: the typical norm of the stream at `layer`.
    """
    ### BEGIN SOLUTION
    vectors = torch.stack([at_dose(direction, dose, norm=norm) for dose in doses])
    n_opening, n_dose = len(prompts), len(doses)
    added = vectors.repeat_interleave(n_opening, 0).repeat(2, 1)
    taken_out = -added
    taken_out[: n_dose * n_opening] = 0
    hooks = [
        (f"blocks.{layer}.hook_resid_pre", steering_hook(added)),
        (end, steering_hook(taken_out)),
    ]
    measured = measure(write(prompts.repeat(2 * n_dose, 1), hooks))
    return measured.view(2, n_dose, n_opening, -1).mT
    ### END SOLUTION


# %% tags=["check"]
dose_sweep = lesson_31.check_dose_sweep(dose_sweep)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Put a copy of all prompts for each dose and each way into one batch: `prompts.repeat(2 * n_dose, 1)` has its rows by way, by dose, by opening. Then each row needs its vector: `vectors.repeat_interleave(n_opening, 0).repeat(2, 1)`, where `vectors` is [dose d_model].
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two hooks: one adds the vectors before the block, the other adds minus the vectors at `end`, where the first half of the rows (way 0) gets zeros. What `measure` returns, [row, number], becomes `.view(2, n_dose, n_opening, -1)`; `.mT` exchanges the last two axes.
#
# </details>

# %%
DOSES = [0.1, 0.2, 0.4, 0.7]


def measure_on(concept: str, prompts: Tensor) -> Callable[[Tensor], Tensor]:
    """Score and mean loss of new tokens [row, 20], without steering: [row, number]."""

    def measure(new: Tensor) -> Tensor:
        rows = prompts.repeat(len(new) // len(prompts), 1)
        scores = concepts.score(concept, model.tokenizer.batch_decode(new))
        return torch.stack([scores, token_losses(model, rows, new).mean(1).cpu()], 1)

    return measure


bare = to_rows(to_choose)
live = {
    layer: dose_sweep(
        sampled,
        measure_on("sea", bare),
        bare,
        vectors["sea"][layer],
        layer=layer,
        doses=DOSES,
        norm=norms[layer],
        end=END,
    )
    for layer in (20, 25)
}
swept = {c: concepts.layer_sweep(c) for c in concepts.CONCEPTS}  # all layers, two seeds
off = {layer: (live[layer] - swept["sea"].at[layer][0]).abs().flatten() for layer in live}
for layer, each in off.items():
    print(f"layer {layer}: {(each < 0.01).float().mean():.0%} of your numbers are the file's")

# %% [markdown]
# Your two layers took some seconds each. The file has all five, for three concepts and two seeds, from the same code (`data/steering_sweep`). Eight openings, kept for choosing, serve for all of this.
#
# **The rule, before you look**, one layer and one dose for all three concepts: with the direct way *cut*, take the layer with the largest effect at an added loss of `0.5` nats, a mean over concepts, on straight lines between doses. The dose is the one at which the *whole* vector reaches that cost there, to one decimal.

# %%
predict(
    "31.cut",
    "At equal cost, at which layer is most of the effect lost when the direct way is cut?",
    choices=["layer 5", "layer 15", "layer 20", "layer 25", "at none"],
)

# %% tags=["folded"]
# Effect and cost of each layer at each dose, on the eight openings, a mean of three concepts.
WAYS = ("the whole vector", "direct way cut")
swept_change = {  # [way dose number opening]: change of score, added loss
    layer: torch.stack(
        [(s.at[layer] - s.base.mean((0, 1, 2))).mean(0) for s in swept.values()]
    ).mean(0)
    for layer in LAYERS
}
at_half = {  # [way opening]: effect at an added loss of 0.5 nats
    layer: torch.stack([contrast.read_off(way[:, 0], way[:, 1], 0.5) for way in each])
    for layer, each in swept_change.items()
}
lost = {layer: with_ends(each[0] - each[1]) for layer, each in at_half.items()}
LAYER = max(LAYERS, key=lambda layer: at_half[layer][1].mean())
costs = [0.0, *swept_change[LAYER][0, :, 1].mean(-1).tolist()]
above = next(i for i, cost in enumerate(costs) if cost >= 0.5)
step = (0.5 - costs[above - 1]) / (costs[above] - costs[above - 1])
grid = [0.0, *DOSES]
DOSE = round(grid[above - 1] + step * (grid[above] - grid[above - 1]), 1)
outcome("31.cut", "layer 25")
figures.frontier(
    {
        name: {
            f"layer {layer}": ([0, *each[i, :, 1].mean(-1)], [0, *each[i, :, 0].mean(-1)])
            for layer, each in swept_change.items()
        }
        for i, name in enumerate(WAYS)
    },
    title="Layer 25 loses a third of its effect when the direct way is cut<br>"
    "<sup>Mean of three concepts, eight openings. Points: doses 0.1, 0.2, 0.4, 0.7</sup>",
    x="added loss (nats per token)",
    y="change of score",
    at=0.5,
)

# %%
print(f"The rule takes layer {LAYER} and dose {DOSE}.")
plots.table(
    [
        (
            f"layer {layer}",
            *(spelled(with_ends(way)) for way in each),
            spelled(lost[layer]),
        )
        for layer, each in at_half.items()
    ],
    columns=["effect at 0.5 nats (interval over 8 openings)", *WAYS, "lost by cutting"],
)

# %% [markdown]
# The rule takes layer **20** and dose **0.3**. With the whole vector layer 25 does most: **0.46** at `0.5` nats. But cut its direct way, and **0.16** of that is lost (`0.06` to `0.25`): its list of words does a third of the work. At the other four layers cutting costs nothing that can be seen. So the vectors of layers 5 to 20, whose words say nothing, steer *through* the blocks.
#
# Beyond dose `0.4` the cost rises faster than the effect. At dose `0.7` texts steered with the whole vector cost `2` nats or more, and some curves go down.
#
# Two things about the rule. It guards against a vector that only adds words; whether you want that guard depends on why you steer. And it could mislead: eight openings leave intervals that overlap for most layers, the concepts' scores are not on one scale, and a mean over them hides which concept decides.

# %% tags=["numbers"]
assert LAYER == 20
claim("layer", LAYER, text=20, within=0)
claim("dose", DOSE, text=0.3, within=0)
claim("layer 25, whole", at_half[25][0].mean(), text=0.46, within=0.05)
claim("layer 25, lost", lost[25][0], text=0.16, within=0.02)
assert 0 < lost[25][1] < 0.12 and 0.2 < lost[25][2] < 0.3
assert all(lost[layer][1] < 0 < lost[layer][2] for layer in LAYERS[:4])
assert min(each[0, -1, 1].mean() for each in swept_change.values()) > 2
assert max(LAYERS, key=lambda layer: at_half[layer][0].mean()) == 25
assert all((each < 0.01).float().mean() > 0.5 for each in off.values())
assert same and all(low > 0 for _, low, _ in gate.values())
assert accuracy["sea"][1] > 0.6 and accuracy["formality"][1] > 0.85

# %% [markdown]
# ## 6. The control
#
# *Any* vector of that length disturbs the text, and disturbed text scores differently by itself: it **drifts**. A random direction is the usual control. But a contrast vector also differs from a random one in *kind*: it is a mean over sentences of these topics. The control closest to it is a contrast vector of the same sentences without the concept.
#
# ### Exercise 5 · build the control (7 minutes, medium)
#
# Somebody shuffles all 60 sentences, and calls 30 of them "with". What is wrong with that: which difference between the groups is left that the real vector does not have? And if each pair is turned by a coin, what happens when 20 of 30 stay as they were, and the vector is then scaled up to the dose? Write the version that has neither fault.


# %% tags=["exercise:utils.writing.contrast.half_turned"]
def half_turned(
    pairs: Sequence[tuple[str, str]], *, generator: torch.Generator
) -> tuple[list[str], list[str]]:
    """The two sides of contrast pairs, with exactly half of the pairs turned round.

    A turned pair has its two sentences exchanged; a pair stays a pair. Which half is turned is
    drawn at random (of an odd number, the smaller half).

    Args:
        pairs: (with the concept, without it).
        generator: on the CPU, for `torch.randperm`.

    Returns:
        (first sentences, second sentences), in the order of the pairs.
    """
    ### BEGIN SOLUTION
    drawn = torch.randperm(len(pairs), generator=generator)[: len(pairs) // 2].tolist()
    turned = [pair[::-1] if i in drawn else pair for i, pair in enumerate(pairs)]
    return [first for first, _ in turned], [second for _, second in turned]
    ### END SOLUTION


# %% tags=["check"]
half_turned = lesson_31.check_half_turned(half_turned)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Turn whole pairs: `pair[::-1]`. Then both sides still have one sentence of each pair, and the topics cancel in the difference as they do in the real vector.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randperm(len(pairs), generator=generator)[: len(pairs) // 2].tolist()` are the numbers of the pairs to turn.
#
# </details>

# %%
pairs = concepts.pairs("sea", part="fit")
mixed = half_turned(pairs, generator=torch.Generator().manual_seed(1))
control = contrast_vectors(model, *mixed, layers=[LAYER])[0]
leftover = torch.cosine_similarity(control, vectors["sea"][LAYER], dim=0).item()
length = (control.norm() / vectors["sea"][LAYER].norm()).item()
print(f"the control is {length:.2f} times as long, its cosine with the sea's vector {leftover:.2f}")

# %% [markdown]
# The file has 24 controls at layer 20 and dose `0.3`: 12 random directions, and 12 half-turned vectors, four of each concept. They were added after 48 openings that had no part in the choice: 24 for testing, which the first version of this lesson had used, and 24 written for this one when all choices had been made (`confirm`). The **net effect** subtracts the controls' mean, opening by opening.

# %% tags=["folded"]
# Effects on the new openings, beside those of each control; and net of the controls' mean.
KINDS = {"random": "12 random directions", "turned": "12 half-turned vectors"}


def controls_on(concept: str, kind: str) -> Tensor:
    """Change of score under each control, [control, opening]."""
    return shipped[kind, "", DOSE].score(concept) - plain[concept]


drift, net = {}, {}
for c in concepts.CONCEPTS:
    both = torch.cat([controls_on(c, kind) for kind in KINDS])
    drift[c] = both.mean(0)
    net[c] = effect_of("CAA", c, DOSE) - drift[c]
rows = {f"CAA, layer {LAYER}, dose {DOSE}": lambda c: with_ends(effect_of("CAA", c, DOSE)[CONFIRM])}
rows["net of the controls' mean"] = lambda c: with_ends(net[c][CONFIRM])
rows["net, the 24 test openings"] = lambda c: with_ends(net[c][TEST])
plots.intervals(
    {c: {name: value(c) for name, value in rows.items()} for c in concepts.CONCEPTS},
    dots={
        c: {name: controls_on(c, kind)[:, CONFIRM].mean(1).tolist() for kind, name in KINDS.items()}
        for c in concepts.CONCEPTS
    },
    marks=dict.fromkeys(concepts.CONCEPTS, 0),
    alike=list(concepts.CONCEPTS),
    title="The vectors change the score by more than the controls do<br>"
    "<sup>Change of score on 24 new openings, 95% intervals; each circle is one control</sup>",
)

# %% [markdown]
# On openings that nobody had chosen on, the vectors raise sentiment by **0.41**, formality by **0.63** and the sea by **0.43**, net of the controls; each is above every one of the 24 controls. The 24 older openings agree.
#
# In the mean the controls drift little here, and the interval of the mean holds 0 for each concept. One by one they do not stay at 0: half-turned vectors move formality from `-0.33` to `0.43`. Each of them holds some formality by chance, since pairs differ in how far apart their halves are. With one control instead of 24, you might have had that one. (Cost is not nothing either: random directions of this length add `0.31` nats, half-turned vectors `0.43`, the concept's own vectors `0.54`.)

# %% tags=["numbers"]
claim("net, sentiment", net["sentiment"][CONFIRM].mean(), text=0.41, within=0.04)
claim("net, formality", net["formality"][CONFIRM].mean(), text=0.63, within=0.06)
claim("net, the sea", net["sea"][CONFIRM].mean(), text=0.43, within=0.04)
one_by_one = {
    c: torch.cat([controls_on(c, kind)[:, CONFIRM].mean(1) for kind in KINDS]) for c in net
}
assert all(effect_of("CAA", c, DOSE)[CONFIRM].mean() > one_by_one[c].max() for c in net)
assert all(bootstrap(net[c][part]).low > 0.25 for c in net for part in (TEST, CONFIRM))
assert all(bootstrap(drift[c][CONFIRM]).low < 0 < bootstrap(drift[c][CONFIRM]).high for c in net)
turned_ones = controls_on("formality", "turned")[:, CONFIRM].mean(1)
assert abs(turned_ones.min() + 0.33) < 0.02 and abs(turned_ones.max() - 0.43) < 0.02
spent_by = [
    (shipped[kind, "", DOSE].loss - unsteered.loss.mean(0)).mean() for kind in ("random", "turned")
]
assert abs(spent_by[0] - 0.31) < 0.02 and abs(spent_by[1] - 0.43) < 0.02

# %% [markdown]
# ## 7. Which result is sound?
#
# ### Investigation · three results (8 minutes, medium)
#
# Three vectors, A, B and C. Each of them raised the sea's score after the eight openings: the next cell repeats those runs. One result is **sound**: the vector works through the model, on new openings too. One vector only adds words by the **direct way**. One result was **luck**: a random direction, and the best of 28 samples. Which is which?
#
# You have four runs: `sealed.run("A", prompts, cut=False)` gives new tokens of prompts [opening pos] under a vector, with its direct way cut if you say so. `sea_change(new)` turns them, after the 24 new openings, into changes of score with an interval.

# %%
new_rows = to_rows(to_confirm)
sealed = contrast.Sealed(model, sampled, runs=4)


def sea_change(new: Tensor) -> tuple[float, float, float]:
    """Mean change of the sea's score after the new openings, with its 95% interval."""
    scores = concepts.score("sea", model.tokenizer.batch_decode(new))
    return with_ends(scores - plain["sea"][CONFIRM])


first_results = {}
for name, seed in zip("ABC", (0, contrast.LUCKY[1], 0), strict=True):
    new = contrast.Sealed(model, lambda *a, s=seed: sampled(*a, seed=s), runs=1).run(name, bare)
    scores = concepts.score("sea", model.tokenizer.batch_decode(new))
    first_results[name] = with_ends(scores - swept["sea"].base.mean((0, 1, 2))[0])
plots.table(
    [(name, spelled(ends)) for name, ends in first_results.items()],
    columns=["result", "change of the sea's score, eight openings (95% interval)"],
)

# %% tags=["solution-only"]
# Two runs whole, and what is left of A and of C with the direct way cut.
tested = {
    (name, cut): sea_change(sealed.run(name, new_rows, cut=cut))
    for name, cut in (("A", False), ("A", True), ("B", False), ("C", True))
}
for (name, cut), ends in tested.items():
    print(name, "direct way cut" if cut else "whole", spelled(ends))

# %% tags=["answer:flaws"]
### BEGIN SOLUTION
# B is gone on new openings; A loses most of its effect with the direct way cut, and C does not.
flaws = ("direct way", "luck", "sound")
### END SOLUTION

# %% tags=["check"]
flaws = lesson_31.check_flaws(flaws)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Luck does not come twice: run the suspects on the new openings. The interval of the first result is no help, since it does not know that the best of 28 was picked.
#
# </details>
# <details><summary>Hint 2</summary>
#
# What remains with the direct way cut comes through the blocks. Two runs with `cut=True` and two without are enough.
#
# </details>

# %% tags=["numbers"]
assert tested["C", True][1] > 0 and tested["A", True][2] < tested["C", True][0]
assert tested["A", False][1] > 0 and tested["B", False][0] < tested["A", False][0]
assert all(mean > 0.25 for mean, _, _ in first_results.values())

# %% [markdown]
# ## Going deeper: against a request, at equal effect
#
# The obvious rival is to *ask*. A request does two things at once: it changes the format to a chat, and it asks. So there is a **neutral request** ("Write a text.") in the same format. And a dose is a choice, so compare at equal *effect*: at the dose where steering does as much as the request, which text costs more?
#
# ### Exercise 6 · read a curve off (10 minutes, medium)
#
# One function for both directions: effects at a given cost (the table of section 5), and costs at a given effect.


# %% tags=["exercise:utils.writing.contrast.read_off"]
def read_off(
    values: Float[Tensor, "dose opening"], along: Float[Tensor, "dose opening"], wanted: float
) -> Float[Tensor, " opening"]:
    """Each opening's value at the dose where the mean of `along` first reaches `wanted`.

    Between two doses both go along straight lines; before the first dose both start from 0. The
    dose is one for all openings. Where the mean of `along` never reaches `wanted`: the values at
    the last dose.

    Args:
        values: what to read off, such as effects; the doses in rising order.
        along: what sets the dose, such as costs.
        wanted: above 0.
    """
    ### BEGIN SOLUTION
    nothing = torch.zeros_like(values[:1])
    values, mean = torch.cat([nothing, values]), torch.cat([nothing, along]).mean(1)
    for i in range(1, len(mean)):
        if mean[i] >= wanted:
            share = (wanted - mean[i - 1]) / (mean[i] - mean[i - 1])
            return values[i - 1] + share * (values[i] - values[i - 1])
    return values[-1]
    ### END SOLUTION


# %% tags=["check"]
read_off = lesson_31.check_read_off(read_off)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Put a row of zeros in front of both. The *mean* cost over openings gives one curve; find the first dose where it is at least `wanted`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `share = (wanted - before) / (after - before)` says how far between the two doses. All openings take that share of the way between their own two effects.
#
# </details>

# %%
predict(
    "31.equal",
    "Steered until it does as much as the request: whose text costs more, a mean of three concepts?",
    choices=["the steered text", "the requested text", "cannot be told apart"],
)

# %% tags=["folded"]
# Costs at equal effect, with the cost read after the bare opening and after the neutral request.
ON_CURVE = [0.1, 0.2, 0.3, 0.4]
neutral = shipped["neutral request", "", 0.0]
READ = {"the bare opening": "loss", "the neutral request": "after_neutral"}


def cost_of(method: str, concept: str, dose: float = 0.0, read: str = "loss") -> Tensor:
    """Loss over that of unsteered text, both read in the same way, [opening]."""
    run = shipped[method, concept, dose]
    return (getattr(run, read) - getattr(unsteered, read).mean(0)).mean(0)


def mean_of(value: Callable[..., Tensor], method: str, *args, **other) -> Tensor:
    """A mean over the three concepts, [opening]."""
    return torch.stack([value(method, c, *args, **other) for c in concepts.CONCEPTS]).mean(0)


curve = torch.stack([mean_of(effect_of, "CAA", dose) for dose in ON_CURVE])  # [dose opening]
wanted = mean_of(effect_of, "request")
drawn = torch.randint(48, (1000, 48), generator=torch.Generator().manual_seed(0))
dearer = {}
for name, read in READ.items():
    spent = torch.stack([mean_of(cost_of, "CAA", dose, read=read) for dose in ON_CURVE])
    asked = mean_of(cost_of, "request", read=read)

    def difference(at: Tensor, spent: Tensor = spent, asked: Tensor = asked) -> Tensor:
        """Added loss of steering less that of the request, at equal effect, over some openings."""
        return (read_off(spent[:, at], curve[:, at], wanted[at].mean().item()) - asked[at]).mean()

    draws = torch.stack([difference(at) for at in drawn])
    ends = draws.quantile(torch.tensor([0.025, 0.975])).tolist()
    dearer[name] = (difference(torch.arange(48)).item(), *ends)
surely = [low > 0 for _, low, _ in dearer.values()]
outcome("31.equal", "the steered text" if all(surely) else "cannot be told apart")
plots.table(
    [(name, spelled(ends)) for name, ends in dearer.items()],
    columns=["cost read after", "steered less requested, nats per token (95% interval)"],
)

# %% tags=["folded"]
# All ways side by side, on 48 openings.
METHODS = [
    ("unsteered", "", 0.0),
    ("neutral request", "", 0.0),
    ("request", None, 0.0),
    *(("CAA", None, dose) for dose in ON_CURVE),
    ("neutral request + CAA", None, 0.2),
    ("request + CAA", None, 0.2),
]
side_by_side = {}
for method, told, dose in METHODS:
    name = f"{method}, dose {dose}" if dose else method
    told = concepts.CONCEPTS if told is None else [""] * 3
    effect, *cost = (
        torch.stack(each).mean(0)
        for each in (
            [effect_of(method, t, dose, c) for t, c in zip(told, concepts.CONCEPTS, strict=True)],
            *([cost_of(method, t, dose, read) for t in told] for read in READ.values()),
        )
    )
    side_by_side[name] = effect, *cost
plots.table(
    [(name, *(spelled(with_ends(each)) for each in row)) for name, row in side_by_side.items()],
    columns=["way", "change of score, mean of three", *(f"added loss after {r}" for r in READ)],
)

# %% [markdown]
# At equal effect the steered text costs **0.19** nats per token more than the requested text, read after the bare opening (`0.11` to `0.31`), and **0.66** more after the neutral request. Where the reader stands matters: in a chat, text written on request is what the model expects. The neutral request alone changes the scores by `0.02`, so it is the *asking* that works, not the format.
#
# But the request has one strength, and steering can go on: at dose `0.3` it does **0.46** for half a nat, where the request does **0.33**. And they add up. The request with a vector of dose `0.2` does **0.58** for `0.27` nats, more than any dose of steering alone, at a lower cost than dose `0.3`.
#
# AxBench reports that "prompting outperforms all existing methods" on Gemma-2-2B and 9B, for 500 concepts. Here the request wins on cost, and not on effect. A model of this size follows instructions badly, and there are three concepts and one wording of the request.

# %% tags=["numbers"]
claim("dearer after the opening", dearer["the bare opening"][0], text=0.19, within=0.025)
claim("dearer after the neutral request", dearer["the neutral request"][0], text=0.66, within=0.06)
assert all(low > 0.05 for _, low, _ in dearer.values())
claim("CAA at 0.3", side_by_side["CAA, dose 0.3"][0].mean(), text=0.46, within=0.03)
claim("the request", side_by_side["request"][0].mean(), text=0.33, within=0.03)
claim("both", side_by_side["request + CAA, dose 0.2"][0].mean(), text=0.58, within=0.03)
both, alone = side_by_side["request + CAA, dose 0.2"], side_by_side["CAA, dose 0.3"]
assert bootstrap(both[0] - alone[0]).low > 0 and bootstrap(alone[1] - both[1]).low > 0
assert abs(both[1].mean() - 0.27) < 0.02
ahead = side_by_side["CAA, dose 0.3"][0] - side_by_side["request"][0]
assert bootstrap(ahead).low > 0 and abs(side_by_side["neutral request"][0].mean()) < 0.06

# %% [markdown]
# ## Going deeper: does it work after every opening?
#
# A mean hides the openings. Tan and colleagues (arXiv 2407.12404) found that steering goes the wrong way on many inputs ("anti-steerable"). Two samples of an opening differ by chance alone, so some openings look wrong in any case. The comparison is two unsteered runs, of two samples each: how often is the second below the first?
#
# ### Task · before you run it (5 minutes)
#
# If steering did nothing, which share would go the wrong way? If it raised every opening by `0.3`, would the share be 0? Compare three concepts, then change `0.3` to `0.1`.

# %%
wrong_way = {}
for c in concepts.CONCEPTS:
    scores = unsteered.score(c)  # four samples: two to compare with, two as if they were steered
    first, second = scores[:2].mean(0), scores[2:].mean(0)
    steered = shipped["CAA", c, 0.3].score(c).mean(0)
    wrong_way[c] = [(each < second).float() for each in (steered, first)]
plots.table(
    [(c, *(spelled(with_ends(each)) for each in row)) for c, row in wrong_way.items()],
    columns=["concept", "steered: openings that go down", "unsteered twice: openings that go down"],
)

# %% [markdown]
# After steering, the score goes down on **0.10** of the openings for sentiment, **0.02** for formality and **0.12** for the sea. Two unsteered runs disagree downward on about half of them, as they should. So at this dose few openings go the wrong way, and chance alone could put them there: noise of two samples also turns round some openings that rose. To call an opening anti-steerable, you would need many samples of that opening.

# %% tags=["numbers"]
claim("sentiment", wrong_way["sentiment"][0].mean(), text=0.10, within=0.015)
claim("formality", wrong_way["formality"][0].mean(), text=0.02, within=0.003)
claim("the sea", wrong_way["sea"][0].mean(), text=0.12, within=0.015)
assert all(0.35 < b.mean() < 0.65 for _, b in wrong_way.values())
assert all(bootstrap(b - a).low > 0.1 for a, b in wrong_way.values())

# %% [markdown]
# ## Going deeper: another concept's vector
#
# A harder control than a random direction is a vector of the same recipe for *another* concept. Score all texts on all concepts.
#
# ### Task · which pairs? (5 minutes)
#
# Which two concepts would you expect to leak into each other, and why? Then change `0.3` to `0.4`.

# %%
leaks = {
    (told, c): with_ends(effect_of("CAA", told, 0.3, c) - drift[c])
    for told in concepts.CONCEPTS
    for c in concepts.CONCEPTS
}
plots.table(
    [(told, *(spelled(leaks[told, c]) for c in concepts.CONCEPTS)) for told in concepts.CONCEPTS],
    columns=["vector for", *(f"net change on {c}" for c in concepts.CONCEPTS)],
)

# %% [markdown]
# Each vector moves its own concept by `0.40` or more. On the others the net change is at most **0.08**, and one of the six intervals leaves out 0: the sea's vector raises formality a little. Of six intervals at 95%, one that leaves out 0 may be chance.

# %% tags=["numbers"]
others = {key: ends for key, ends in leaks.items() if key[0] != key[1]}
claim("largest leak", max(abs(ends[0]) for ends in others.values()), text=0.08, within=0.01)
assert sum(not low < 0 < high for _, low, high in others.values()) == 1
assert min(leaks[c, c][0] for c in concepts.CONCEPTS) > 0.38

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            f"CAA, layer {LAYER}, dose {DOSE}: change of score, new openings",
            ", ".join(f"{c} {net[c][CONFIRM].mean():.2f}" for c in net),
            "less the mean of 24 controls",
            "",
        ),
        (
            "effect at 0.5 nats, layer 25: whole, direct way cut",
            ", ".join(f"{each:.2f}" for each in at_half[25].mean(1)),
            "layer 20: " + ", ".join(f"{each:.2f}" for each in at_half[20].mean(1)),
            "",
        ),
        (
            "steered less requested text at equal effect, nats per token",
            f"{dearer['the bare opening'][0]:.2f}",
            f"{dearer['the neutral request'][0]:.2f} after the neutral request",
            "prompting outperforms all existing methods (AxBench, Gemma-2-2B and 9B)",
        ),
        (
            "openings where the score goes down, mean of three",
            f"{sum(a.mean() for a, _ in wrong_way.values()) / 3:.2f}",
            f"{sum(b.mean() for _, b in wrong_way.values()) / 3:.2f}, unsteered twice",
            "many inputs are anti-steerable (Tan et al., Llama-2-7b-chat and Qwen-1.5-14b-chat)",
        ),
    ],
    columns=["", "ours (SmolLM2-135M-Instruct)", "control", "elsewhere"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. A vector that only adds words to the logits: is that steering? When would it be all you need?
# 2. A half-turned vector still holds how strongly each *pair* differs. In which way is that a better control than a random direction, and in which a worse one?
# 3. The requested text was read after the bare opening. What would a reader of the text say about its cost?
#
# ## Common mistakes
#
# - A hook that counts positions from the start of what runs *now*. With a cache, that is one token.
# - Choosing layer, dose and the prettiest sample on the openings that you report.
# - An effect without its cost, or a cost under the *steered* model, which finds its own text likely.
# - A random control of another length, or a single one.
# - Shuffling sentences where pairs are the groups.
#
# ## Where this breaks
#
# One model of 135 million parameters, three concepts, 20 tokens, few samples. VADER counts words with rules, and the classifiers see letters and learned from text written on *request*, which may favour the request. Nobody read the texts blind. Intervals hold for more openings like these. A vector that makes sea words likely need not be what the model itself uses.
#
# ## Further reading
#
# - Rimsky et al. (2023), *Steering Llama 2 via Contrastive Activation Addition*, arXiv 2312.06681
# - Turner et al. (2023), *Steering Language Models With Activation Engineering*, arXiv 2308.10248
# - Wu et al. (2025), *AxBench: Steering LLMs? Even Simple Baselines Outperform Sparse Autoencoders*, arXiv 2501.17148
# - Tan et al. (2024), *Analyzing the Generalization and Reliability of Steering Vectors*, arXiv 2407.12404
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.4 · Belief states](24_belief_states.ipynb) | **Next:** [3.2 · The emotion circle](32_emotion_circle.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/24_belief_states.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/32_emotion_circle.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("31")
