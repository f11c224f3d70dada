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
# 2. measure effect against cost over layers and doses, and what is left when the vector's direct way is cut;
# 3. build the control for a contrast vector, and compare steering with a request at equal cost.
#
# **Time** 75 minutes for the core, and half an hour for *Going deeper*. **Needs** lesson 2.1: difference of means, the bootstrap by group; 1.4: hooks.
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
import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack

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
# END: the hook point after the last block, where the logits are read from.
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


def to_rows(openings: Sequence[str], *, before: str = concepts.START) -> Tensor:
    """Token ids with BOS, [opening, pos]; all openings have six tokens."""
    return torch.cat([model.to_tokens(before + text, prepend_bos=False) for text in openings])


def asking(what: str) -> str:
    """A request in the chat format, to put before an opening."""
    return concepts.REQUEST.format(concepts.WANTED[what])


def continued(vectors: Tensor, openings: Sequence[str], *, layer: int = 20, before=concepts.START):
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
# Texts are scored from -1 to 1. For sentiment by VADER, a lexicon of words rated by people; for the other two by a small classifier of letter groups, trained on text that this model wrote when *asked* for the concept. The table tests both instruments. Its last column asks the model for each concept before 24 openings, and subtracts what a *neutral request* in the same chat format does ("Write a text.").

# %% tags=["folded"]
# Each instrument on unseen subjects and hand-written pairs; and what a request does to its score.
shipped = concepts.steered_texts()  # what data/steering_sweep/make.py wrote
TEST, CONFIRM = slice(0, 24), slice(24, 48)
unsteered = shipped["unsteered", "", 0.0]


@functools.cache
def scores_of(method: str, concept: str, dose: float, scored_on: str) -> Tensor:
    """Scores of shipped texts, [sample, opening]."""
    return shipped[method, concept, dose].score(scored_on)


plain = {c: scores_of("unsteered", "", 0.0, c).mean(0) for c in concepts.CONCEPTS}  # by opening


def effect_of(method: str, concept: str, dose: float = 0.0, scored_on: str = "") -> Tensor:
    """Change of score against unsteered text, a mean over samples, [opening]."""
    scored_on = scored_on or concept
    return scores_of(method, concept, dose, scored_on).mean(0) - plain[scored_on]


def with_ends(values: Tensor, groups: Sequence[str] | None = None) -> tuple[float, float, float]:
    """A mean with the ends of its 95% interval."""
    return values.mean().item(), *bootstrap(values, groups=groups)


def spelled(ends: Sequence[float]) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(*ends)


accuracy, on_pairs, gate = {}, {}, {}
for c in concepts.CONCEPTS:
    yes, no = (concepts.score(c, side) for side in zip(*concepts.pairs(c), strict=True))
    on_pairs[c] = (yes > no).float().mean().item()
    format_alone = effect_of("neutral request", "", scored_on=c)
    gate[c] = with_ends((effect_of("request", c) - format_alone)[TEST])
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
    + ["asked, less a neutral request (95% interval)"],
)

# %% [markdown]
# The instruments are usable and noisy: the intervals of the two classifiers are over texts of four subjects (formality) and eight (the sea). The model can do what it is asked: each change is above 0.
#
# ## 2. Build the vector
#
# **Contrast vectors** are the difference of means of lesson 2.1. Rimsky and colleagues (*contrastive activation addition*, CAA) read the token of the answer letter, in questions with two answers, and add the vector after the user's prompt. Here a sentence is read at all its tokens, and the vector is added at all tokens but BOS, the opening's too.
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
end_norm = typical_norm(model, to_choose, layer=cfg.n_layers)
plots.table(
    [
        ("typical norm", *(f"{norms[layer]:.0f}" for layer in LAYERS), f"{end_norm:.0f}"),
        *(
            (
                f"{c}: length over the typical norm",
                *(f"{vectors[c][layer].norm() / norms[layer]:.2f}" for layer in LAYERS),
                "",
            )
            for c in vectors
        ),
        ("dose 0.4 over END's norm", *(f"{0.4 * norms[i] / end_norm:.2f}" for i in LAYERS), ""),
    ],
    columns=["", *(f"layer {i}" for i in LAYERS), "END"],
)

# %% [markdown]
# Lengths differ, so "coefficient 10" says little. The unit here is the **typical norm**: the median length of the stream at that layer. A **dose** of `0.3` is a vector three tenths as long: `at_dose(direction, 0.3, norm=norms[20])`. The last row is for section 5: the stream grows, and what is a strong push at layer 20 is small at END, after the last block.
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
# At layer 25 it is a list of words: *reefs, vessel, seaweed* for the sea, *harmoniously, joy* against *worse, ugly* for sentiment, *yeah, huh, gonna* lowered for formality. At layers 5 and 15 nearly all words are about nothing; the sentiment's vector has *Worse* among the lowered from 15 on. Either the early vectors are no good, or the blocks above make something of them. So steer.
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
# A strong push always changes the text, and broken text can still score well. So every effect gets its **cost**: how much more the *unsteered* model is surprised by the text, in nats per token. An added loss of `0.5` nats is a perplexity `1.65` times that of unsteered text.
#
# A vector also goes straight along the stream to the logits. To see what is left without this **direct way**, take the vector out again at `END`. What it still does, it does through the blocks above its layer.
#
# ### Exercise 4 · the sweep (8 minutes, medium)


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
    cut_at: str | None = None,
) -> Float[Tensor, "dose number opening"]:
    """What steered text measures at each dose; all openings and doses run in one batch.

    Args:
        write: write(rows, hooks) gives new tokens [row, new] for rows of prompts [row, pos], under
            hooks, a list of (name of a hook point, hook).
        measure: measure(new) gives some numbers for each row, [row, number].
        direction: of any length.
        layer: the vector is added before this block, at all positions but BOS.
        doses: lengths of the added vector over `norm`.
        norm: the typical norm of the stream at `layer`.
        cut_at: a hook point where the same vector is taken out again; None for nowhere.
    """
    ### BEGIN SOLUTION
    vectors = torch.stack([at_dose(direction, dose, norm=norm) for dose in doses])
    added = vectors.repeat_interleave(len(prompts), 0)
    hooks = [(f"blocks.{layer}.hook_resid_pre", steering_hook(added))]
    if cut_at is not None:
        hooks.append((cut_at, steering_hook(-added)))
    measured = measure(write(prompts.repeat(len(doses), 1), hooks))
    return measured.view(len(doses), len(prompts), -1).mT
    ### END SOLUTION


# %% tags=["check"]
dose_sweep = lesson_31.check_dose_sweep(dose_sweep)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Put a copy of all prompts for each dose into one batch: `prompts.repeat(len(doses), 1)` has its rows by dose, then by opening. Each row needs its vector: `vectors.repeat_interleave(len(prompts), 0)`, where `vectors` is [dose d_model].
#
# </details>
# <details><summary>Hint 2</summary>
#
# One `steering_hook` adds the vectors before the block. With `cut_at`, a second one adds minus the vectors there. What `measure` returns, [row, number], becomes `.view(len(doses), len(prompts), -1)`; `.mT` exchanges the last two axes.
#
# </details>

# %%
predict(
    "31.cut",
    "At equal cost: which layer loses most when the direct way is cut?",
    choices=["layer 5", "layer 10", "layer 15", "layer 20", "layer 25"],
)

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
    way: dose_sweep(
        sampled,
        measure_on("sea", bare),
        bare,
        vectors["sea"][25],
        layer=25,
        doses=DOSES,
        norm=norms[25],
        cut_at=cut_at,
    )
    for way, cut_at in {"whole": None, "direct way cut": END}.items()
}
swept = {c: concepts.swept_layers(c) for c in concepts.CONCEPTS}  # all layers, two seeds
from_file = swept["sea"].at[25].mean(0)  # [way dose number opening]
plots.table(
    [
        (f"{way}, dose {dose}", f"{yours[0].mean():.2f}", f"{theirs[0].mean():.2f}")
        for (way, found), file in zip(live.items(), from_file, strict=True)
        for dose, yours, theirs in zip(DOSES, found, file, strict=True)
    ],
    columns=["layer 25, score of the sea after eight openings", "yours", "the file's two seeds"],
)

# %% [markdown]
# Yours is one sample an opening, so it differs from the file by chance. The file has five layers, three concepts and two seeds (`data/steering_sweep`), on eight openings kept for choosing.
#
# **The rule, before you look:** with the direct way cut, take the layer with the largest effect at an added loss of `0.5` nats, a mean over concepts. The dose is where the whole vector reaches that cost, to one decimal.

# %% tags=["folded"]
# Effect of each layer where the mean cost is 0.5 nats, whole and cut; and the rule's choice.
change = {  # [concept way dose number opening]: change of score, added loss
    layer: torch.stack([(s.at[layer] - s.base.mean((0, 1, 2))).mean(0) for s in swept.values()])
    for layer in LAYERS
}


def at_half(each: Tensor) -> list[float]:
    """Mean effect at an added loss of 0.5 nats of [way dose number opening], whole and cut."""
    return [contrast.read_off(way[:, 0], way[:, 1], 0.5).mean().item() for way in each]


by_concept = {
    c: {layer: at_half(change[layer][i]) for layer in LAYERS}
    for i, c in enumerate(concepts.CONCEPTS)
}
# The mean of three concepts, on all openings and on 400 draws of them: dose and effect anew.
drawn = torch.randint(8, (400, 8), generator=torch.Generator().manual_seed(0))
mean_of_three = {
    layer: [at_half(change[layer].mean(0)[..., at]) for at in (torch.arange(8), *drawn)]
    for layer in LAYERS
}
halves = {layer: found[0] for layer, found in mean_of_three.items()}
lost = {}
for layer, found in mean_of_three.items():
    less = torch.tensor(found) @ torch.tensor([1.0, -1.0])
    lost[layer] = (less[0].item(), *less[1:].quantile(torch.tensor([0.025, 0.975])).tolist())
LAYER = max(LAYERS, key=lambda layer: halves[layer][1])
chosen = [max(LAYERS, key=lambda layer: mean_of_three[layer][i][1]) for i in range(1, 401)]
how_often = chosen.count(LAYER) / len(chosen)
costs = [0.0, *change[LAYER].mean(0)[0, :, 1].mean(-1).tolist()]
above = next(i for i, cost in enumerate(costs) if cost >= 0.5)
step = (0.5 - costs[above - 1]) / (costs[above] - costs[above - 1])
grid = [0.0, *DOSES]
DOSE = round(grid[above - 1] + step * (grid[above] - grid[above - 1]), 1)
names = ["layer 5", "layer 10", "layer 15", "layer 20", "layer 25"]
outcome("31.cut", max(zip(LAYERS, names, strict=True), key=lambda each: lost[each[0]][0])[1])
print(f"The rule takes layer {LAYER} and dose {DOSE}; {how_often:.0%} of draws take this layer.")
print("Lost by the cut:", "; ".join(f"layer {i}: {spelled(e)}" for i, e in lost.items()))
figures.dumbbells(
    {c: {f"layer {i}": both for i, both in each.items()} for c, each in by_concept.items()},
    title="Layer 25 loses in all three concepts when its direct way is cut<br>"
    "<sup>Change of score at an added loss of 0.5 nats, eight openings</sup>",
    names=("the whole vector", "direct way cut"),
)

# %% [markdown]
# The rule takes layer **20** and dose **0.3**; it would take this layer for **0.78** of draws of the eight openings. With the whole vector layer 25 does most in the mean, and it loses **0.16** by the cut (`0.04` to `0.29`): much for the sea and for sentiment, less for formality. The mean loss of layers 5 to 20 cannot be told from 0; but a mean hides concepts, and at layer 15 sentiment's effect goes from `0.34` to `0.04`.
#
# That layers 5 to 20 survive the cut is partly forced: a dose of `0.4` at layer 20 is 11% of END's norm, too short to do much there as it is. So the cut guards against layer 25 alone. Whether you want the guard depends on why you steer.
#
# ## 6. What do the blocks make of it?
#
# What survives the cut need not be more than words: blocks may turn the vector into a list of words of their own. Take the mean **shift** that dose `0.3` at layer 20 leaves at END, and read it. Then add this one constant vector at END alone, where no block comes after it, and compare: as a control, the vector itself added at END, as it is and as long as the shift.

# %% tags=["folded"]
# The words of the shift; then its effect and cost as a constant at END, on 48 openings.
text = torch.cat([bare, sampled(bare, [])], 1)  # the eight openings, continued without steering
pushes = torch.stack([at_dose(v[LAYER], DOSE, norm=norms[LAYER]) for v in vectors.values()])
shifts = contrast.shift_at_end(model, text, pushes, layer=LAYER)


def cost_of(method: str, concept: str, dose: float = 0.0, read: str = "loss") -> Tensor:
    """Loss over that of unsteered text, both read in the same way, [opening]."""
    run = shipped[method, concept, dose]
    return (getattr(run, read) - getattr(unsteered, read).mean(0)).mean(0)


AT_END = {
    f"steered at layer {LAYER}": "CAA",
    "its shift, at END alone": "shift at the end",
    "the vector itself, at END alone": "vector at the end",
}
plots.table(
    [
        (c, *(", ".join(w) for w in read_vector(model, v, k=8)))
        for c, v in zip(vectors, shifts, strict=True)
    ],
    columns=["shift at END", "raises most", "lowers most"],
)

# %%
at_end = {
    (c, name): (with_ends(effect_of(m, c, DOSE)), with_ends(cost_of(m, c, DOSE)))
    for c in concepts.CONCEPTS
    for name, m in AT_END.items()
}
# The vector itself at END once more, now as long as the shift: made here, one sample an opening.
all_48 = to_rows([*to_test, *to_confirm])
long = torch.cat(
    [(p * s.norm() / p.norm()).expand(48, -1) for p, s in zip(pushes, shifts, strict=True)]
)
new = sampled(all_48.repeat(3, 1), [(END, steering_hook(long))]).view(3, 48, -1)
for c, tokens in zip(concepts.CONCEPTS, new, strict=True):
    change_48 = concepts.score(c, model.tokenizer.batch_decode(tokens)) - plain[c]
    loss_48 = token_losses(model, all_48, tokens).mean(1).cpu() - unsteered.loss.mean(0)
    at_end[c, "the vector, as long as the shift, at END"] = with_ends(change_48), with_ends(loss_48)
times = [(s.norm() / p.norm()).item() for p, s in zip(pushes, shifts, strict=True)]
print("The shift is longer than the vector, times:", ", ".join(f"{x:.1f}" for x in times))
plots.table(
    [(*key, *map(spelled, at_end[key])) for key in sorted(at_end, key=lambda key: key[0])],
    columns=["concept", "dose 0.3", "change of score (95% interval)", "added loss"],
)

# %% [markdown]
# The shift is a list of words again, and now they are the concept's. Added at END alone it raises sentiment by **0.37**, formality by **0.52** and the sea by **0.30**: most of what steering does, and on average for less cost. For formality steering does **0.07** more, with an interval that begins at about 0; for the other two the difference cannot be told from 0. The vector itself at END does little for sentiment and nothing for the sea.
#
# But the shift is three to four times as long as the vector. Made as long, the vector at END does `0.30` for sentiment and `0.39` for formality, at `1.1` and `0.7` nats; for the sea still nothing (`-0.05`). So the blocks do two things: they make the push longer, and they turn it, which for the sea is everything and for sentiment saves most of the cost. What comes out is mostly a constant push on words.

# %% tags=["numbers"]
assert LAYER == 20
claim("layer", LAYER, text=20, within=0)
claim("dose", DOSE, text=0.3, within=0)
claim("drawn", how_often, text=0.78, within=0.05)
claim("layer 25, lost", lost[25][0], text=0.16, within=0.02)
assert 0 < lost[25][1] < 0.1 and 0.22 < lost[25][2] < 0.34
assert all(lost[layer][1] < 0 < lost[layer][2] for layer in LAYERS[:4])
assert max(LAYERS, key=lambda layer: halves[layer][0]) == 25
assert all(each[25][0] - each[25][1] > 0.05 for each in by_concept.values())
assert abs(by_concept["sentiment"][15][0] - 0.34) < 0.02
assert abs(by_concept["sentiment"][15][1] - 0.04) < 0.02
assert abs(0.4 * norms[20] / end_norm - 0.11) < 0.01
assert same and all(low > 0 for _, low, _ in gate.values())
assert accuracy["sea"][1] > 0.6 and accuracy["formality"][1] > 0.85
more = {c: effect_of("CAA", c, DOSE) - effect_of("shift at the end", c, DOSE) for c in vectors}
claim(
    "shift, sentiment",
    effect_of("shift at the end", "sentiment", DOSE).mean(),
    text=0.37,
    within=0.03,
)
claim(
    "shift, formality",
    effect_of("shift at the end", "formality", DOSE).mean(),
    text=0.52,
    within=0.04,
)
claim("shift, the sea", effect_of("shift at the end", "sea", DOSE).mean(), text=0.30, within=0.03)
as_long = {c: at_end[c, "the vector, as long as the shift, at END"] for c in concepts.CONCEPTS}
for c, effect, spent in (("sentiment", 0.30, 1.1), ("formality", 0.39, 0.7), ("sea", -0.05, 0.4)):
    assert abs(as_long[c][0][0] - effect) < 0.08 and abs(as_long[c][1][0] - spent) < 0.2, c
assert all(2.7 < times_as_long < 4.1 for times_as_long in times)
claim("steering more", more["formality"].mean(), text=0.07, within=0.01)
assert abs(bootstrap(more["formality"]).low) < 0.02
assert all(bootstrap(more[c]).low < 0 < bootstrap(more[c]).high for c in ("sentiment", "sea"))
cheaper = {c: cost_of("CAA", c, DOSE) - cost_of("shift at the end", c, DOSE) for c in vectors}
assert all(cheaper[c].mean() > 0 for c in vectors)

# %% [markdown]
# ## 7. The control
#
# *Any* vector of that length disturbs the text, and disturbed text may score differently by itself. A random direction is the usual control. Closer is a contrast vector of the same sentences without the concept.
#
# ### Exercise 5 · build the control (6 minutes, medium)
#
# Two other controls have been proposed. One shuffles all 60 sentences, and calls 30 of them "with". The other turns each pair round by a coin, and 20 of 30 happen to stay. Both vectors are then scaled up to the dose. What is wrong with each? Write the version that has neither fault; the table after it has the answers.


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
sentences = [text for pair in pairs for text in pair]  # with, without, with, ...
tokens, is_text = padded(model, sentences)
with torch.no_grad():
    _, cache = model.run_with_cache(tokens, stop_at_layer=LAYER + 1)
resid = cache["resid_pre", LAYER] * is_text[..., None]
of_text = dict(zip(sentences, resid.sum(1) / is_text.sum(1)[:, None], strict=True))
random = torch.Generator().manual_seed(1)


def difference(first: Sequence[str], second: Sequence[str]) -> Tensor:
    """The contrast vector at LAYER, from the sentences' vectors."""
    return sum(of_text[a] - of_text[b] for a, b in zip(first, second, strict=True)) / len(first)


def shuffled() -> tuple[list[str], list[str]]:
    texts = [sentences[i] for i in torch.randperm(60, generator=random)]
    return texts[:30], texts[30:]


def ten_turned() -> tuple[list[str], list[str]]:
    turned = set(torch.randperm(30, generator=random)[:10].tolist())
    both = [pair[::-1] if i in turned else pair for i, pair in enumerate(pairs)]
    return [a for a, _ in both], [b for _, b in both]


ways, real = (
    {
        "all sentences shuffled": shuffled,
        "20 of 30 pairs stay": ten_turned,
        "exactly half turned (yours)": lambda: half_turned(pairs, generator=random),
    },
    difference(*zip(*pairs, strict=True)),
)
made = {name: torch.stack([difference(*way()) for _ in range(50)]) for name, way in ways.items()}
close = {name: torch.cosine_similarity(v, real, dim=-1).abs() for name, v in made.items()}
plots.table(
    [
        (name, f"{(v.norm(dim=1) / real.norm()).median():.2f}", f"{close[name].median():.2f}")
        for name, v in made.items()
    ],
    columns=["50 draws, median", "length over the real vector's", "size of the cosine with it"],
)

# %% [markdown]
# Shuffling leaves differences between *topics*, which the real vector does not have; with 20 pairs that stay, much of the concept is left, and scaling to the dose makes it larger.
#
# The file has 48 controls at layer 20 and dose `0.3`: 12 random directions, and 36 half-turned vectors, twelve of each concept. They were added after 48 openings that had no part in the choice; 24 of these were written when all choices had been made ("new"). The **net effect** subtracts the controls' mean, opening by opening.

# %% tags=["folded"]
# Net effects, and the change of score under each control, in the colour of what it was made of.
n_turned = len(shipped["turned", "", DOSE].loss)


def controls_on(concept: str, kind: str) -> Tensor:
    """Change of score under each control, a mean over 48 openings, [control, opening]."""
    return scores_of(kind, "", DOSE, concept) - plain[concept]


def made_of(concept: str, pairs_of: str) -> Tensor:
    """The same for the half-turned vectors made of some concept's pairs."""
    return controls_on(concept, "turned")[concepts.CONCEPTS.index(pairs_of) :: 3]


drift, net, dots = {}, {}, {}
for c in concepts.CONCEPTS:
    both = torch.cat([controls_on(c, kind) for kind in ("random", "turned")])
    drift[c] = both.mean(0)
    net[c] = effect_of("CAA", c, DOSE) - drift[c]
    dots[c] = {"random directions": controls_on(c, "random").mean(1).tolist()}
    dots[c] |= {f"half-turned, {of}": made_of(c, of).mean(1).tolist() for of in concepts.CONCEPTS}
PARTS = {"net, all 48 openings": slice(0, 48), "24 older": TEST, "24 new": CONFIRM}
plots.intervals(
    {c: {name: with_ends(net[c][at]) for name, at in PARTS.items()} for c in concepts.CONCEPTS},
    dots=dots,
    marks=dict.fromkeys(concepts.CONCEPTS, 0),
    alike=list(concepts.CONCEPTS),
    title="The vectors change the score by more than any control does<br>"
    "<sup>Change of score, 95% intervals over openings; each circle is one control</sup>",
)

# %% [markdown]
# On 48 openings the vectors raise sentiment by **0.37**, formality by **0.56** and the sea by **0.43**, net of the controls; each is above every one of the 48 controls. For formality the older openings give `0.49` and the new ones `0.63`.
#
# The mean of the controls cannot be told from 0 for any concept. One by one they scatter: half-turned vectors move formality from `-0.41` to `0.38`, whichever concept's pairs they are made of. With one control you might have had one of these. The controls are as long as the vectors, but not as costly: `0.31` nats (random) and `0.34` (half-turned), against `0.54`.

# %% tags=["numbers"]
claim("net, sentiment", net["sentiment"].mean(), text=0.37, within=0.03)
claim("net, formality", net["formality"].mean(), text=0.56, within=0.04)
claim("net, the sea", net["sea"].mean(), text=0.43, within=0.03)
assert all(effect_of("CAA", c, DOSE).mean() > max(map(max, dots[c].values())) for c in net)
assert all(bootstrap(drift[c]).low < 0 < bootstrap(drift[c]).high for c in net)
assert abs(net["formality"][TEST].mean() - 0.49) < 0.02
assert abs(net["formality"][CONFIRM].mean() - 0.63) < 0.02
turned_ones = controls_on("formality", "turned").mean(1)
assert abs(turned_ones.min() + 0.41) < 0.02 and abs(turned_ones.max() - 0.38) < 0.02
spent_by = [
    (shipped[kind, "", DOSE].loss - unsteered.loss.mean(0)).mean() for kind in ("random", "turned")
]
assert abs(spent_by[0] - 0.31) < 0.02 and abs(spent_by[1] - 0.34) < 0.02

# %% [markdown]
# ## 8. Which result survives?
#
# ### Investigation · three results (7 minutes, medium)
#
# Three vectors, A, B and C. Each of them raised the sea's score after the eight openings: the next cell repeats those runs. One **survives** the cut of its direct way, on new openings too. One does its work by the **direct way**. One result was **luck**: a random direction, and the best of 28 samples. Which is which?
#
# You have four runs: `sealed.run("A", prompts, cut=False)` gives new tokens under a vector, two samples of each prompt, with its direct way cut if you say so. `sea_change(new)` turns them, after the 24 new openings, into a change of score with an interval. Answer with `flaws = ("...", "...", "...")`, for A, B and C, of the words `"survives"`, `"direct way"` and `"luck"`.

# %%
new_rows = to_rows(to_confirm)
sealed = contrast.Sealed(model, sampled, runs=4)


def sea_change(new: Tensor) -> tuple[float, float, float]:
    """Mean change of the sea's score after the new openings, with its 95% interval."""
    scores = concepts.score("sea", model.tokenizer.batch_decode(new)).view(-1, 24).mean(0)
    return with_ends(scores - plain["sea"][CONFIRM])


first_results = {}
for name in "ABC":
    scores = concepts.score("sea", model.tokenizer.batch_decode(sealed.first(name, bare)))
    first_results[name] = with_ends(scores - swept["sea"].base.mean((0, 1, 2))[0])
plots.table(
    [(name, spelled(ends)) for name, ends in first_results.items()],
    columns=["result", "change of the sea's score, eight openings (95% interval)"],
)

# %% tags=["solution-only"]
# B whole, and what is left of A and of C with the direct way cut.
tested = {
    (name, cut): sea_change(sealed.run(name, new_rows, cut=cut))
    for name, cut in (("A", True), ("B", False), ("C", True))
}
for (name, cut), ends in tested.items():
    print(name, "direct way cut" if cut else "whole", spelled(ends))

# %% tags=["answer:flaws"]
### BEGIN SOLUTION
# B is gone on new openings; with the direct way cut C still does much, and A does not.
flaws = ("direct way", "luck", "survives")
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
# What remains with the direct way cut comes through the blocks. Run the other suspects with `cut=True`.
#
# </details>

# %% tags=["numbers"]
assert tested["C", True][1] > 0 and tested["A", True][0] < tested["C", True][1]
assert tested["B", False][0] < tested["C", True][1]
assert all(mean > 0.25 for mean, _, _ in first_results.values())

# %% [markdown]
# ## Going deeper: against a request, at equal effect
#
# The obvious rival is to *ask*. A dose is a choice, so compare at equal *effect*: at the dose where steering does as much as the request, which text costs more?
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
    dose is one for all openings. Where the mean of `along` never reaches `wanted`, there is nothing
    to read off: all are NaN.

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
    return torch.full_like(values[0], torch.nan)
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
    "For how many of the three concepts does steering at its best dose reach the request's effect?",
    choices=["none", "one", "two", "all three"],
)

# %% tags=["folded"]
# Costs at equal effect, concept by concept; and both ways inside one format.
ON_CURVE = [0.1, 0.2, 0.3, 0.4]
drawn = torch.randint(48, (500, 48), generator=torch.Generator().manual_seed(0))
dearer, inside = {}, {}
for c in concepts.CONCEPTS:
    curve = torch.stack([effect_of("CAA", c, dose) for dose in ON_CURVE])  # [dose opening]
    spent = torch.stack([cost_of("CAA", c, dose) for dose in ON_CURVE])
    wanted, asked = effect_of("request", c), cost_of("request", c)
    found = [
        (read_off(spent[:, at], curve[:, at], wanted[at].mean().item()) - asked[at]).mean()
        for at in (torch.arange(48), *drawn)
    ]
    draws = torch.stack(found[1:]).nan_to_num(torch.inf)  # never reached: no dose is enough
    ends = draws.quantile(torch.tensor([0.025, 0.975]), interpolation="nearest").tolist()
    dearer[c] = None if found[0].isnan() else (found[0].item(), *ends)
    start = effect_of("neutral request", "", scored_on=c), cost_of("neutral request", "")
    inside[c] = [
        (effect_of(m, c, dose) - start[0], cost_of(m, c, dose) - start[1])
        for m, dose in (("neutral request + CAA", 0.2), ("request", 0.0))
    ]
reached = sum(each is not None for each in dearer.values())
outcome("31.equal", ["none", "one", "two", "all three"][reached])
plots.table(
    [
        (
            c,
            spelled(dearer[c]) if dearer[c] else "not reached",
            *(f"{effect.mean():.2f} for {cost.mean():.2f}" for effect, cost in inside[c]),
        )
        for c in concepts.CONCEPTS
    ],
    columns=["concept", "steered less requested, nats, at equal effect"]
    + [f"over a neutral request: {way}" for way in ("vector, dose 0.2", "request")],
)

# %%
together = {
    m: torch.stack([effect_of(m, c, dose) for c in concepts.CONCEPTS]).mean(0)
    for m, dose in (("request", 0.0), ("CAA", 0.2), ("request + CAA", 0.2))
}
together["both less the sum"] = together["request + CAA"] - together["request"] - together["CAA"]
plots.table(
    [(m.replace("CAA", "vector, dose 0.2"), spelled(with_ends(e))) for m, e in together.items()],
    columns=["way", "change of score, mean of three"],
)

# %% [markdown]
# For the sea, no dose up to `0.4` does as much as the request. For the other two, steering costs **0.06** (sentiment) and **0.07** (formality) nats more at equal effect, and neither can be told from 0. But these compare across formats, and the format alone changes the cost: text after a neutral request is `0.12` nats cheaper. Inside one format the sea's vector does less than the request, for **0.39** nats against **0.08**; for sentiment and formality it does more, and costs more.
#
# Together they do **0.58**: more than either alone, and less than the sum.
#
# AxBench reports that "prompting outperforms all existing methods" on Gemma-2-2B and 9B, for 500 concepts. Here that holds for one concept of three. A model of this size follows instructions badly, and this is one wording of the request.

# %% tags=["numbers"]
claim("sentiment dearer", dearer["sentiment"][0], text=0.06, within=0.009)
claim("formality dearer", dearer["formality"][0], text=0.07, within=0.01)
assert dearer["sea"] is None
assert all(dearer[c][1] < 0 < dearer[c][2] for c in ("sentiment", "formality"))
claim("sea's vector inside", inside["sea"][0][1].mean(), text=0.39, within=0.03)
claim("sea's request inside", inside["sea"][1][1].mean(), text=0.08, within=0.01)
assert abs(cost_of("neutral request", "").mean() + 0.12) < 0.01
claim("both", together["request + CAA"].mean(), text=0.58, within=0.03)
assert bootstrap(together["both less the sum"]).high < 0
assert all(bootstrap(together["request + CAA"] - together[m]).low > 0 for m in ("request", "CAA"))

# %% [markdown]
# ## Going deeper: does it work after every opening?
#
# A mean hides the openings. Tan and colleagues (arXiv 2407.12404) found that steering goes the wrong way on many inputs ("anti-steerable"); they measure differences of logits, without sampling. Two samples of an opening differ by chance alone, so some openings look wrong in any case. The comparison is two unsteered runs, of two samples each: how often is the second below the first?
#
# ### Task · before you run it (3 minutes)
#
# If steering did nothing, which share would go the wrong way? And if it raised the score of every opening by the same amount, the mean effect: would the share be 0?

# %%
wrong_way = {}
for c in concepts.CONCEPTS:
    scores = unsteered.score(c)  # four samples: two to compare with, two as if they were steered
    first, second = scores[:2].mean(0), scores[2:].mean(0)
    steered = shipped["CAA", c, 0.3].score(c).mean(0)
    alike = first + effect_of("CAA", c, 0.3).mean()  # every opening moved by the mean effect
    wrong_way[c] = [(each < second).float() for each in (steered, alike, first)]
plots.table(
    [(c, *(spelled(with_ends(each)) for each in row)) for c, row in wrong_way.items()],
    columns=["openings that go down", "steered", "all moved by the mean effect", "unsteered twice"],
)

# %% [markdown]
# After steering, the score goes down on **0.10** of the openings for sentiment, **0.02** for formality and **0.12** for the sea. If every opening moved by the same amount, noise alone would give `0.15`, `0.08` and `0.06`: about as many. To call an opening anti-steerable, you would need many samples of that opening.

# %% tags=["numbers"]
claim("sentiment", wrong_way["sentiment"][0].mean(), text=0.10, within=0.015)
claim("formality", wrong_way["formality"][0].mean(), text=0.02, within=0.003)
claim("the sea", wrong_way["sea"][0].mean(), text=0.12, within=0.015)
assert all(0.35 < b.mean() < 0.65 for _, _, b in wrong_way.values())
assert all(bootstrap(b - a).low > 0.1 for a, _, b in wrong_way.values())
for c, noise in zip(concepts.CONCEPTS, (0.15, 0.08, 0.06), strict=True):
    assert abs(wrong_way[c][1].mean() - noise) < 0.01

# %% [markdown]
# ## Going deeper: take the direction away
#
# If steering writes the concept, does the model *need* that direction? **Ablation** projects it out of the stream, at every layer and position but BOS, while the model is asked for the sea.
#
# ### Task · before you run it (3 minutes)
#
# Which result would say "needed"? What must the two controls, a half-turned and a random direction, do?

# %%
turned = difference(*half_turned(pairs, generator=torch.Generator().manual_seed(1)))
other = torch.randn(cfg.d_model, generator=torch.Generator().manual_seed(0))
directions = torch.stack([vectors["sea"][LAYER], turned, other])
unit = torch.cat([torch.zeros(1, cfg.d_model), directions / directions.norm(dim=1, keepdim=True)])
unit = unit.repeat_interleave(24, 0)[:, None]  # a direction for each row; the first 24 have none
with ExitStack() as stack:
    for layer in range(cfg.n_layers + 1):
        project = lambda resid: -(resid * unit).sum(-1, keepdim=True) * unit  # noqa: E731
        stack.enter_context(steer(model, project, layer=layer, positions=slice(1, None)))
    new = sample(model, to_rows(to_confirm, before=asking("sea")).repeat(4, 1), n_tokens=N_TOKENS)
scored = concepts.score("sea", model.tokenizer.batch_decode(new)).view(4, 24)
surprise = token_losses(model, to_rows(to_confirm).repeat(4, 1), new).mean(1).view(4, 24)
ablated = {
    name: (with_ends(scored[i] - scored[0]), with_ends(surprise[i] - surprise[0]))
    for i, name in enumerate(("the sea's direction", "a half-turned one", "a random one"), 1)
}
plots.table(
    [(name, *map(spelled, row)) for name, row in ablated.items()],
    columns=["taken away", "change of the sea's score", "added loss"],
)

# %% [markdown]
# Without the sea's direction the requested text loses `0.55` of its score (`0.48` to `0.64` at three other seeds), at no cost that can be seen; the two controls change nothing that can be told from 0 (at one of three other seeds, one of them does). So this direction matters when the model is asked, too. This is one concept, one sample an opening, and one control of each kind.

# %% tags=["numbers"]
assert abs(ablated["the sea's direction"][0][0] + 0.55) < 0.1
assert ablated["the sea's direction"][0][2] < 0
assert all(low < 0 < high for name, ((_, low, high), _) in list(ablated.items())[1:])
low, high = ablated["the sea's direction"][1][1:]
assert low < 0 < high

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
# Each vector moves its own concept by `0.37` or more. On the others the net change is at most **0.10**, and one of the six intervals leaves out 0: the sea's vector raises formality a little. Of six intervals at 95%, one that leaves out 0 may be chance.

# %% tags=["numbers"]
others = {key: ends for key, ends in leaks.items() if key[0] != key[1]}
claim("largest leak", max(abs(ends[0]) for ends in others.values()), text=0.10, within=0.01)
assert sum(not low < 0 < high for _, low, high in others.values()) == 1
assert min(leaks[c, c][0] for c in concepts.CONCEPTS) > 0.35

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            f"layer {LAYER}, dose {DOSE}: change of score, 48 openings",
            ", ".join(f"{c} {net[c].mean():.2f}" for c in net),
            "less the controls' mean",
            "",
        ),
        (
            "effect at 0.5 nats, layer 25: whole, direct way cut",
            ", ".join(f"{each:.2f}" for each in halves[25]),
            "layer 20: " + ", ".join(f"{each:.2f}" for each in halves[20]),
            "",
        ),
        (
            "the shift as a constant at END: change of score",
            ", ".join(f"{c} {at_end[c, list(AT_END)[1]][0][0]:.2f}" for c in net),
            ", ".join(f"{at_end[c, list(AT_END)[2]][0][0]:.2f}" for c in net)
            + " (the vector itself at END)",
            "",
        ),
        (
            "openings where the score goes down, mean of three",
            f"{sum(a.mean() for a, _, _ in wrong_way.values()) / 3:.2f}",
            f"{sum(b.mean() for _, b, _ in wrong_way.values()) / 3:.2f}, all moved alike",
            "many inputs are anti-steerable (Tan et al., Llama-2-7b-chat and Qwen-1.5-14b-chat)",
        ),
    ],
    columns=["", "ours (SmolLM2-135M-Instruct)", "control", "elsewhere"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. If the blocks turn the vector into a list of words, what is steering inside the model good for?
# 2. A half-turned vector still holds how strongly each *pair* differs. In which way is that a better control than a random direction, and in which a worse one?
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
