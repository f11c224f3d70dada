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
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.3 · World models: a board that the model was never shown](23_world_models.ipynb) | **Next:** [3.2 · The emotion circle](32_emotion_circle.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/23_world_models.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/32_emotion_circle.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. make a steering vector from contrast pairs, and add it while a model writes, cache and all;
# 2. measure what it does *and* what it costs, against random directions of the same length;
# 3. compare three ways to steer with an obvious rival, which is to ask the model.
#
# **Time** two hours. **Needs** lesson 2.1: difference of means, logistic probes, the bootstrap.
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
import itertools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.concepts import task as concepts
from utils.writing import contrast, figures
from utils import plots, stats
from utils.checks import lesson_31
from utils.lesson import claim
from utils.models import load

model = load()
cfg = model.cfg

# %% [markdown]
# ## 1. From reading to writing
#
# A probe *reads* a concept: a direction along which activations with the concept lie further out. So what happens if you push along that direction while the model writes? That is **steering**: add a vector to the residual stream, at one layer, and leave the
# weights alone. A strong push always changes the text, and a broken text can still score well on the concept. So each effect in this lesson has its cost beside it.
#
# Take three concepts: positive sentiment, formality, and the sea. Each is given by **contrast pairs**: nearly the same sentence with the concept and without it (`data/concepts/README.md`). Some pairs are for making vectors (`fit`). Others, on other topics, are for
# choosing a layer and a dose; the file calls them `test`.

# %% tags=["nbval-check-output"]
for concept in concepts.CONCEPTS:
    fit, held_out = (concepts.pairs(concept, part=part) for part in ("fit", "test"))
    print(f"{concept}: {len(fit)} pairs to fit, {len(held_out)} to choose on")
    print("   +", fit[0][0])
    print("   -", fit[0][1])

# %% [markdown]
# ### The instruments
#
# Who says that a text is positive, or about the sea? Not us, and not a list of words made up for the occasion. For sentiment: **VADER**, a lexicon of some 7,500 words rated by people, with rules for negation. For the other two: a small classifier (logistic
# regression on groups of 2 to 4 letters), trained on texts that this model wrote when asked for formal, casual, maritime and other texts. All scores run from `-1` to `1`.
#
# An instrument has an error of its own, so look at that first. Each of those texts has a subject that the model was given, and a classifier was trained on three quarters of the subjects. How often is it right about the rest?
# And how often does each instrument put the right half of a hand-written pair higher?

# %%
on_pairs, held_out_accuracy = {}, {}
for c in concepts.CONCEPTS:
    yes, no = (concepts.score(c, half) for half in zip(*concepts.pairs(c), strict=True))
    on_pairs[c] = (yes > no).float().mean().item()
    if c != "sentiment":  # VADER was not trained
        held_out_accuracy[c] = concepts.classifier(c).accuracy
plots.table(
    [
        (
            c,
            f"{held_out_accuracy[c]:.2f}" if c in held_out_accuracy else "not trained",
            f"{pair:.2f}",
        )
        for c, pair in on_pairs.items()
    ],
    columns=["instrument", "right on held-out subjects", "right half of a pair higher"],
)

# %% [markdown]
# On subjects it was not trained on, the classifier of formality is right about **95%** of `96` texts, that of the sea about **80%** (so few texts leave up to 8 points either way; a coin is right 50% of the time). Asked for a story with a lifeboat in it, the model sometimes
# forgets the lifeboat; the label stays. All three instruments put the right half of a pair higher in **94%** of the pairs or more, two of them in all. So these are usable, and noisy: trust an average over many texts more than any single score.

# %% tags=["numbers"]
claim("formality, held out, %", 100 * held_out_accuracy["formality"], text=95, within=2)
claim("sea, held out, %", 100 * held_out_accuracy["sea"], text=80, within=3)
claim("right half of a pair higher, lowest, %", 100 * min(on_pairs.values()), text=94, within=2)
assert sorted(on_pairs.values())[1] == 1 and concepts.classifier("sea").n_held_out == 96

# %% [markdown]
# ### The gate: can the model do it when asked?
#
# If the model cannot write in a formal style at all, a vector that fails would tell us nothing. So ask. The task in the whole lesson is to continue neutral **openings** of six tokens. Eight of them are for choosing, 24 others for testing.
#
# Ask by a request in the chat format that this model was trained on, with the opening as the start of the answer. `sample` draws the next tokens at **temperature** `0.8`: logits are divided by it before the softmax, so likely tokens become a little likelier.
# Runs with and without a request share their random numbers, for a little less noise between the two. (A bare line, "Here is a very happy and positive text.", was tried on these eight openings in an early version of this lesson. The request did better, and
# was kept as the rival.)
#
# *Predict first:* which of the three concepts will 135 million parameters manage?

# %%
from utils.generation import sample

WANTED = {
    "sentiment": "a very happy and positive text",
    "formality": "a very formal and official text",
    "sea": "a text about the sea",
}
REQUEST = "<|im_start|>user\nWrite {}.<|im_end|>\n<|im_start|>assistant\n"  # the first is BOS
N_TOKENS = 20
to_choose, to_test = concepts.openings(part="choose"), concepts.openings(part="test")


def to_rows(openings: list[str], *, before: str = "<|im_start|>") -> torch.Tensor:
    """Token ids with BOS, [opening, pos]; all openings have six tokens."""
    return torch.cat([model.to_tokens(before + text, prepend_bos=False) for text in openings])


def score(concept: str, new: torch.Tensor) -> torch.Tensor:
    """How much of the concept each text has, [text]."""
    return concepts.score(concept, model.tokenizer.batch_decode(new))


def with_ends(values: torch.Tensor) -> torch.Tensor:
    """A mean with the ends of its 95% interval, [3]."""
    return torch.tensor([values.mean(), *stats.bootstrap(values)])


def spelled(ends: torch.Tensor, form: str = "{:+.2f} ({:+.2f} to {:+.2f})") -> str:
    """A mean and its interval as text."""
    return form.format(*ends)


plain_short = sample(model, to_rows(to_choose), n_tokens=N_TOKENS)
gate = {}
for c, wanted in WANTED.items():
    new = sample(model, to_rows(to_choose, before=REQUEST.format(wanted)), n_tokens=N_TOKENS)
    gate[c] = with_ends(score(c, new) - score(c, plain_short))
    print(f"asked for {c}: change of score (95% interval, eight openings) {spelled(gate[c])}")

# %% [markdown]
# All three: **0.56** on sentiment, **0.58** on formality, **0.68** on the sea, and each interval is above 0. (One sample for each of eight openings is rough. Section 7 has three, and there the request's mean change is smaller. This is a gate, not a result.)

# %% tags=["numbers"]
claim("request, sentiment", gate["sentiment"][0], text=0.56, within=0.2)
claim("request, formality", gate["formality"][0], text=0.58, within=0.25)
claim("request, sea", gate["sea"][0], text=0.68, within=0.2)
assert all(low > 0 for _, low, _ in gate.values())

# %% [markdown]
# ## 2. Three ways to a vector
#
# All three start from the `fit` pairs, at some layer L (what block L *reads*, as in lesson 2.1).
#
# - **One pair**, the idea of ActAdd (activation addition): the difference between the two halves of a single pair. (The paper's ActAdd takes it token by token, and adds it at the first positions of the prompt. Here it is a mean over each sentence, added everywhere, as with the others.)
# - **CAA** (contrastive activation addition): the mean of that difference over many pairs. With pairs this is lesson 2.1's difference of means.
# - **A probe's direction**: the weights of a logistic regression that tells the two halves apart.
#
# A sentence has a vector at every token. Which one? The vector will be added at *every* token, so take the mean over the tokens of the sentence. Not over BOS, whose vector is unlike all others, and not over padding.
#
# ### Exercise 1 · the mean over tokens (15 minutes, medium)


# %% tags=["exercise:utils.writing.contrast.mean_over_tokens"]
def mean_over_tokens(
    resid: Float[Tensor, "batch pos d_model"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch d_model"]:
    """The mean vector of each text, without BOS and without padding.

    Args:
        resid: BOS stands at position 0, padding on the right.
        lengths: how many tokens of each row are text, BOS among them; the rest is padding.
    """
    ### BEGIN SOLUTION
    at = torch.arange(resid.shape[1], device=resid.device)
    mask = (at > 0) & (at < lengths.to(resid.device)[:, None])
    return (resid * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
mean_over_tokens = lesson_31.check_mean_over_tokens(mean_over_tokens)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Make a mask [batch, pos] that is True where there is text: after position 0, and before `lengths`. `lengths[:, None]` has one row for each text, so you can compare it with `torch.arange(pos)`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Multiply `resid` by `mask[..., None]`, sum over positions, and divide by `mask.sum(1, keepdim=True)`. A plain `mean` over positions would count BOS and the padding too.
#
# </details>

# %%
ALL_LAYERS = range(cfg.n_layers)


def vectors_at_all_layers(concept: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean vectors of the sentences with and without the concept, each [layer, pair, d_model]."""
    fit = concepts.pairs(concept, part="fit")
    texts = [text for text, _ in fit] + [text for _, text in fit]
    found = contrast.mean_activations(model, texts, layers=ALL_LAYERS)
    return found[:, : len(fit)], found[:, len(fit) :]


halves = {concept: vectors_at_all_layers(concept) for concept in concepts.CONCEPTS}


def direction(concept: str, method: str, layer: int) -> torch.Tensor:
    """A direction [d_model] that points to the concept, of whatever length the method gives."""
    return contrast.direction(*(half[layer] for half in halves[concept]), method)


# %% [markdown]
# ## 3. How hard to push
#
# The three vectors have quite different lengths, which mean little: a probe's depends on its penalty. To compare methods, give all the same length. The natural unit is the **typical norm**: the median length of the residual stream itself at that layer, over
# all positions but BOS of the eight openings for choosing. A **dose** of `0.3` is a vector three tenths as long.
#
# ### Exercise 2 · a vector of a given dose (5 minutes, easy)


# %% tags=["exercise:utils.steering.at_dose"]
def at_dose(
    direction: Float[Tensor, "*shape d_model"], dose: float, *, norm: float
) -> Float[Tensor, "*shape d_model"]:
    """The vector along a direction whose length is `dose` times `norm`.

    Args:
        direction: of any length; of several, each gets the length that is asked for.
        dose: below 0 it points the other way.
        norm: the typical norm of the residual stream (see `utils.steering.typical_norm`).
    """
    ### BEGIN SOLUTION
    return direction / direction.norm(dim=-1, keepdim=True) * dose * norm
    ### END SOLUTION


# %% tags=["check"]
at_dose = lesson_31.check_at_dose(at_dose)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First make a unit vector: divide by the direction's own length, so that it no longer matters.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `direction.norm(dim=-1, keepdim=True)` is one length for each vector, in a shape that divides.
#
# </details>

# %% [markdown]
# ### Exercise 3 · the control: random directions of equal norm (10 minutes, easy)
#
# *Any* vector of some length disturbs the model, and a disturbed text may score higher or lower by itself. So every steering vector meets random vectors of **the same length**. Draw them so that no direction is preferred: normal entries do that.


# %% tags=["exercise:utils.steering.random_directions"]
def random_directions(
    n: int, like: Float[Tensor, " d_model"], *, generator: torch.Generator
) -> Float[Tensor, "n d_model"]:
    """Directions drawn at random, none likelier than another, each as long as `like`.

    Args:
        generator: on the CPU. All random numbers come from it and from nowhere else.
    """
    ### BEGIN SOLUTION
    drawn = torch.randn(n, len(like), generator=generator).to(like)
    return drawn / drawn.norm(dim=-1, keepdim=True) * like.norm()
    ### END SOLUTION


# %% tags=["check"]
random_directions = lesson_31.check_random_directions(random_directions)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.randn(n, d_model, generator=generator)` points anywhere. `torch.rand` does not: all its entries are positive.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The draws have lengths of their own. Exercise 2 gives each row the length that you want.
#
# </details>

# %%
from utils.steering import typical_norm

norms = {layer: typical_norm(model, to_choose, layer=layer) for layer in (5, 15, 25)}

# %% [markdown]
# At layer 15 the residual stream is about **163** long. The raw CAA vectors have a dose of only **0.09** to **0.19** there: what tells one half of a pair from the other is a small part of what a token carries. (Papers that steer "with coefficient 10" mean ten of *these*,
# whose length differs from concept to concept. Hence the dose.) CAA and the probe saw the same vectors, and yet their directions differ: the cosines at layer 15 are **0.53** to **0.64**. The mean difference points from the one group to the other; a probe may also
# avoid directions in which both groups vary anyway.

# %% tags=["numbers"]
at_15 = {m: [direction(c, m, 15) for c in concepts.CONCEPTS] for m in ("CAA", "probe")}
raw_dose = [vector.norm() / norms[15] for vector in at_15["CAA"]]
cosine = [torch.cosine_similarity(a, b, dim=0) for a, b in zip(*at_15.values(), strict=True)]
claim("typical norm at layer 15", norms[15], text=163, within=3)
claim("raw dose, lowest", min(raw_dose), text=0.09, within=0.01)
claim("raw dose, highest", max(raw_dose), text=0.19, within=0.01)
claim("cosine of CAA and probe, lowest", min(cosine), text=0.53, within=0.03)
claim("cosine of CAA and probe, highest", max(cosine), text=0.64, within=0.03)

# %% [markdown]
# ## 4. Writing under a push
#
# A model that writes keeps keys and values of what it has read, the **key-value cache**, and runs one new token at a time. So a hook on the residual stream sees the whole prompt once, and after that a single position at each step. A hook that steers
# "positions 1 and later" must know how many positions went before. To forget that is a mistake that raises no error: the prompt is steered, and the text is not.
#
# ### Exercise 4 · the steering hook (15 minutes, medium)


# %% tags=["exercise:utils.writing.contrast.add_from"]
def add_from(
    resid: Float[Tensor, "batch here d_model"],
    vector: Float[Tensor, " d_model"],
    *,
    start: int,
    past: int,
) -> Float[Tensor, "batch here d_model"]:
    """A copy of `resid` with `vector` added at all positions of the text from `start` on.

    Args:
        resid: at the positions that run now.
        start: counted from the start of the whole text, where BOS is 0.
        past: how many positions are in the key-value cache: `resid[:, 0]` is position `past` of
            the text.
    """
    ### BEGIN SOLUTION
    position = past + torch.arange(resid.shape[1], device=resid.device)
    return resid + (position >= start)[:, None] * vector
    ### END SOLUTION


# %% tags=["check"]
add_from = lesson_31.check_add_from(add_from)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Number the positions that run now as the whole text numbers them: the first is `past`, the next `past + 1`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `(position >= start)[:, None]` is a column of True and False. Multiply it by `vector`, and add the product to `resid`, without changing `resid` itself.
#
# </details>

# %% [markdown]
# The course's `steer` does that for you, at any layer, while its `with` block lasts, and `sample` uses the cache. Test both against your hook (in the library's version) and a loop with no cache: it runs the whole text again for each new token, and always
# takes the likeliest.

# %%
from utils.steering import steer

vector = at_dose(direction("sea", "CAA", 15), 0.3, norm=norms[15]).to(cfg.device)
rows = to_rows(to_choose[:2])
hook = ("blocks.15.hook_resid_pre", lambda resid, hook: add_from(resid, vector, start=1, past=0))
by_hand = rows.clone()
with torch.no_grad(), model.hooks(fwd_hooks=[hook]):
    for _ in range(8):
        by_hand = torch.cat([by_hand, model(by_hand)[:, -1:].argmax(-1)], dim=1)
with steer(model, vector, layer=15, positions=slice(1, None)):
    cached = sample(model, rows, n_tokens=8, temperature=0)
assert torch.equal(by_hand[:, rows.shape[1] :], cached)
unmoved = sample(model, rows, n_tokens=8, temperature=0)
assert not torch.equal(cached, unmoved)
print("unsteered:", to_choose[0] + model.tokenizer.decode(unmoved[0]))
print("steered:  ", to_choose[0] + model.tokenizer.decode(cached[0]))

# %% [markdown]
# ## 5. What it costs
#
# Three measures, because each can be fooled.
#
# - **Perplexity under the unsteered model.** Let the *unsteered* model read the steered text: how surprised is it? Perplexity is the mean loss of a token, in nats, exponentiated. Divide it by that of the unsteered text, and you have the **perplexity factor**: `2` means that each token is on average twice as unlikely. A text written on request is also read after the *bare opening*, so that all methods are measured alike.
# - **Repetition.** A text that loops can have a *lower* perplexity than one that does not. (Section 7's file has a case: with the vector of one pair on formality, the text loops at dose `0.7`, and has a lower perplexity than at `0.5`.) So count: the share of 2-grams and 3-grams (two or three tokens in a row) that had occurred before.
# - **The zlib ratio**: compressed size over size. Repetition of any kind compresses, which lowers the ratio.
#
# ### Exercise 5 · losses under the unsteered model (15 minutes, medium)


# %%
@torch.no_grad()
def token_losses(model, prompts: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
    """-log probability of each written token, given all before it, in nats, [batch, new].

    Args:
        model: takes tokens [batch, pos], gives logits [batch, pos, d_vocab]. Not steered.
        prompts: [batch, pos], with BOS.
        written: [batch, new], what was written after them.
    """
    ### BEGIN SOLUTION
    logits = model(torch.cat([prompts, written], dim=1))
    log_probs = logits[:, prompts.shape[1] - 1 : -1].log_softmax(-1)
    return -log_probs.gather(-1, written[..., None])[..., 0]
    ### END SOLUTION


# %% tags=["check"]
token_losses = lesson_31.check_token_losses(token_losses)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The logits at a position predict the token after it. So the first written token is predicted at the *last* position of the prompt.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Run the model on `torch.cat([prompts, written], dim=1)`. Keep `logits[:, prompts.shape[1] - 1 : -1]`, as many as there are written tokens. Then `log_softmax`, `gather`, and a minus.
#
# </details>

# %% [markdown]
# ### Exercise 6 · repetition (10 minutes, easy)
#
# Now the second measure: count the n-grams (n tokens in a row) of each text that had occurred before in it.


# %% tags=["exercise:utils.writing.fluency.repetition"]
def repetition(tokens: Int[Tensor, "batch pos"], *, n: int) -> Float[Tensor, " batch"]:
    """For each row, the share of its n-grams that had occurred before in the row.

    Args:
        tokens: their n-grams overlap: one starts at every position that leaves room.
    """
    ### BEGIN SOLUTION
    shares = []
    for row in tokens.tolist():
        grams = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
        shares.append(1 - len(set(grams)) / len(grams))
    return torch.tensor(shares)
    ### END SOLUTION


# %% tags=["check"]
repetition = lesson_31.check_repetition(repetition)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# If the same n-gram comes four times, three of those had occurred before. So the repeats are all n-grams, less the number of *different* ones.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A `set` of tuples holds each different n-gram once. A row of `p` tokens has `p - n + 1` n-grams.
#
# </details>

# %%
from utils.writing.fluency import zlib_ratio

# %% [markdown]
# ## 6. Which layer, which dose? The cheap way
#
# Sampling is slow and noisy. A single forward pass tells a good deal. Take pairs that were *not* used for the vectors, every third of each concept's 18 (to save time). Compare the log probabilities of their two sentences:
#
# - **effect on pairs**: how much steering moves the log probability of the sentence "with", less that of the one "without", in nats per token;
# - **one-token cost**: by what factor *one* token drawn from the steered model is less likely under the unsteered one than a token of its own. (Computed over the whole vocabulary, so no token has to be drawn.)
#
# **The rule, before you look:** one layer and one dose for all three concepts. Of those with a cost of at most `2` for every concept, take the one with the largest mean effect. That serves CAA, whose vectors are used here. The other methods will have to live
# with the layer; they get doses of their own in section 8.
#
# *Predict first:* a rule of thumb that you may meet is one to three times the typical norm. Will that do here?

# %%
LAYERS, DOSES = [5, 15, 25], [0.3, 0.45, 1.0]
pairs = {c: concepts.pairs(c, part="test")[::3] for c in concepts.CONCEPTS}
plain = {c: contrast.read_pairs(model, each) for c, each in pairs.items()}


def on_the_pairs(c: str, vector: torch.Tensor, layer: int, dose: float) -> torch.Tensor:
    """Effect on the pairs of a concept, and one-token cost, [2]."""
    change = at_dose(vector, dose, norm=norms[layer])
    with steer(model, change, layer=layer, positions=slice(1, None)):
        steered = contrast.read_pairs(model, pairs[c])
    effect = (steered.preference - plain[c].preference).mean()
    return torch.tensor([effect, contrast.one_token_cost(steered, plain[c])])


swept = [
    on_the_pairs(c, direction(c, "CAA", layer), layer, dose)
    for c, layer, dose in itertools.product(concepts.CONCEPTS, LAYERS, DOSES)
]
swept = torch.stack(swept).view(3, len(LAYERS), len(DOSES), 2)  # the last axis: effect, cost
mean_effect, worst_cost = swept[..., 0].mean(0), swept[..., 1].amax(0)
allowed = mean_effect.masked_fill(worst_cost > 2, torch.nan)
at = divmod(allowed.nan_to_num(-torch.inf).argmax().item(), len(DOSES))
LAYER, DOSE = LAYERS[at[0]], DOSES[at[1]]
generator = torch.Generator().manual_seed(0)
strays = random_directions(2, direction("sea", "CAA", LAYER), generator=generator)
of_strays = torch.stack([on_the_pairs(c, stray, LAYER, DOSE) for stray in strays for c in pairs])
print("two random directions at the boxed layer and dose, effect and cost on each concept:")
print(", ".join(f"{effect:+.2f} (x{cost:.2f})" for effect, cost in of_strays))
plots.heatmap(
    allowed,
    title="The rule takes the boxed cell: the grey ones cost too much, whatever their effect",
    x="",
    y="",
    rows=[f"layer {layer}" for layer in LAYERS],
    columns=[f"dose {dose}" for dose in DOSES],
    label="effect (nats)",
    ends=(0, 2 * allowed.nan_to_num(0).max().item()),
    text=[
        [f"effect {effect:.2f}, cost {cost:.1f}" for effect, cost in row]
        for row in torch.stack([mean_effect, worst_cost], -1).tolist()
    ],
    box=at,
)

# %% [markdown]
# The rule takes layer **25** and dose **0.3**: a mean effect of **1.1** nats per token, at a cost of at most **1.5**. Both are at the edge of a coarse grid: a later layer may be better still (there are 30; close to the end a vector can push words up directly), and
# smaller doses cost less.
#
# **The control.** CAA's effect there is **0.87** or more on each concept. Two random directions of the same length cost about as much, and move no concept's pairs by more than **0.34**. And the rule of thumb? At dose `1`, for the worst concept, the one-token
# cost is **19** or more, at each of these layers. In this model, by this measure of length, a good dose is below half of the typical norm: at `0.45` or more every layer costs too much. At layer 15 the dose of `1` even has *less* effect than that of `0.45`.

# %% tags=["numbers"]
claim("layer", LAYER, text=25, within=0)
claim("dose", DOSE, text=0.3, within=0)
claim("mean effect there, nats", mean_effect[at], text=1.1, within=0.1)
claim("worst cost there", worst_cost[at], text=1.5, within=0.1)
claim("smallest effect there, nats", swept[:, *at, 0].min(), text=0.87, within=0.1)
assert of_strays[:, 1].max() > worst_cost[at]
claim("largest effect of one, nats", of_strays[:, 0].abs().max(), text=0.34, within=0.08)
claim("lowest of the worst costs at dose 1", worst_cost[:, -1].min(), text=19, within=2)
assert (worst_cost[:, 1:] > 2).all()
assert mean_effect[LAYERS.index(15), -1] < 0.8 * mean_effect[LAYERS.index(15), -2]

# %% [markdown]
# ## 7. Dose and response, in text that the model writes
#
# Now the text itself. Sampling enough of it takes most of an hour, so it was **done beforehand**: `data/steering_sweep/make.py` wrote the file that you load here, with this lesson's vectors, at layer 25. Each steering method has five doses, the request has none. Each
# run has three samples (seeds) for each of 32 openings. Five random directions, at the same doses, are the control. The unsteered model's losses and the repetition are in the file; the scores are computed here.
#
# Do not take a file's word for it. Write two batches of it again, one unsteered and one with CAA for sentiment at dose `0.3`. The random numbers depend on the seed, the row and how many rows there are, so a batch of these 32 openings should give you the same text. (The
# gate's batch of eight drew other numbers.)

# %%
shipped = concepts.steered_texts()
all_rows = to_rows(to_choose + to_test)
pushed = at_dose(direction("sentiment", "CAA", LAYER), DOSE, norm=norms[LAYER])
same, off = [], []
for key in [("unsteered", "", 0.0), ("CAA", "sentiment", 0.3)]:
    with steer(model, pushed * float(key[0] == "CAA"), layer=LAYER, positions=slice(1, None)):
        new = sample(model, all_rows, n_tokens=N_TOKENS)
    file, texts = shipped[key], model.tokenizer.batch_decode(new)
    same += [a == b for a, b in zip(texts, file.texts[:32], strict=True)]
    off.append(score("sentiment", new).mean() - file.score("sentiment")[0].mean())
    off.append(token_losses(model, all_rows, new).mean() - file.loss[0].mean())
print(f"identical: {sum(same)} of {len(same)} texts; means are off by", [f"{x:.4f}" for x in off])

# %% [markdown]
# The same texts: **100%** of the 64 are identical, letter for letter. (On another processor rounding may turn a word here and there, and the text after it. So the test below lets half of the texts differ, and a mean be off by `0.15`.)

# %% tags=["numbers"]
claim("identical texts, %", 100 * sum(same) / len(same), text=100, within=50)
assert max(map(abs, off)) < 0.15

# %% [markdown]
# For each run, take the score and the loss, less those of the unsteered text after the same opening with the same random numbers. That gives the **change of score** (the effect) and the added loss (the cost).
# Then take a mean over the three samples, so that one number is left for each opening.
# An interval is a bootstrap over openings. (A mean over the three concepts adds unlike scales: VADER gives exactly `0` to **34%** of the unsteered texts, for instance. Take it as a summary.)
#
# This section looks at the eight openings for choosing: the coloured bands are 95% intervals over those, the grey one is the range of five random directions. *Predict first:* as the dose grows, does the effect keep growing? Does the cost?

# %%
CURVE = [0.1, 0.2, 0.3, 0.5, 0.7]
STRAYS = [f"random {i}" for i in range(5)]
CHOOSE, TEST = slice(0, 8), slice(8, None)
unsteered = shipped["unsteered", "", 0.0]
plain_score = {c: unsteered.score(c) for c in concepts.CONCEPTS}
runs, effects, costs = {}, {}, {}  # by method, concept and dose; the last two [opening]
for (method, told, dose), run in shipped.items():
    for c in [told] if told else concepts.CONCEPTS:
        runs[method, c, dose] = run
        effects[method, c, dose] = (run.score(c) - plain_score[c]).mean(0)
        costs[method, c, dose] = (run.loss - unsteered.loss).mean(0)
for of in (effects, costs):
    for method, dose in {(method, dose) for method, _, dose in runs}:
        three = [of[method, c, dose] for c in concepts.CONCEPTS]
        of[method, "mean", dose] = torch.stack(three).mean(0)
COLUMNS = [*concepts.CONCEPTS, "mean"]
HEADS = COLUMNS[:-1] + ["mean of three"]


def curve(of: dict, method: str, concept: str, doses: list[float]) -> torch.Tensor:
    """Mean and interval at each dose, on the openings for choosing, [3, dose]."""
    return torch.stack([with_ends(of[method, concept, dose][CHOOSE]) for dose in doses], 1)


def stray_curve(of: dict, concept: str) -> torch.Tensor:
    """Mean, lowest and highest of the five random directions at each dose, [3, dose]."""
    each = torch.stack([curve(of, stray, concept, CURVE)[0] for stray in STRAYS])
    return torch.stack([each.mean(0), each.amin(0), each.amax(0)])


GREY = "five random directions (lowest to highest)"
panels = {}
for c, head in zip(COLUMNS, HEADS, strict=True):
    for name, of in (("change of score", effects), ("perplexity factor", costs)):
        lines = {"request": curve(of, "request", c, [0.0]), "CAA": curve(of, "CAA", c, CURVE)}
        lines[GREY] = stray_curve(of, c)
        panels[name, head] = {k: v.exp() if of is costs else v for k, v in lines.items()}
    panels["perplexity factor", head]["the limit, 2"] = torch.tensor([2.0])
plots.curves(
    panels,
    at=CURVE,
    title="Beyond dose 0.3 more push adds less effect on average, and ever more cost",
    x="dose",
    grey=GREY,
).update_yaxes(type="log", tickvals=[0.5, 1, 2, 5, 10, 20, 50], row=2)


# %%
def looks(method: str, dose: float) -> list[float]:
    """Shares of repeated 2-grams and 3-grams and the zlib ratio, over the three concepts."""
    three = [runs[method, c, dose] for c in concepts.CONCEPTS]
    packed = [zlib_ratio(run.texts).view_as(run.loss) for run in three]
    measured = [[run.two for run in three], [run.three for run in three], packed]
    return [torch.stack(each)[..., CHOOSE].mean().item() for each in measured]


tried = [("unsteered", 0.0), ("request", 0.0), *(("CAA", dose) for dose in CURVE)]
tried += [("random 0", dose) for dose in (0.3, 0.7)]
plots.table(
    [
        (
            method + f", dose {dose}" * (dose > 0),
            spelled(with_ends(effects[method, "mean", dose][CHOOSE])),
            f"x{costs[method, 'mean', dose][CHOOSE].mean().exp():.1f}",
            *(f"{value:.2f}" for value in looks(method, dose)),
        )
        for method, dose in tried
    ],
    columns=["method", "change of score, mean of three (95% interval)", "perplexity factor"]
    + ["2-grams repeated", "3-grams repeated", "zlib ratio"],
)

# %% [markdown]
# From dose `0.3` to `0.7` the mean change goes from **0.55** to **0.68**, while the perplexity goes from **1.8** times that of unsteered text to **8.1** times. Push harder, and you buy damage. Repetition rises too, and the texts compress better.
#
# Concepts differ. On sentiment the effect goes on growing, up to the score's ceiling: at `0.7`, **88%** of the scores are above `0.9`. On the sea it stops at `0.3`, with not one score up there: that is no ceiling.
#
# The request reaches **0.39** here, less than the gate's single sample promised, at **0.97** times the perplexity: no dearer than unsteered text. (Perhaps because it asks for a kind of text that is common.)
#
# The five random directions cost on average about as much as CAA, and move a concept's score by **0.22** at most at dose `0.3`, and by less at `0.7`. Part of the grey band is the noise of eight openings: on sentiment it is **0.20** wide at dose `0.1`, where the text
# costs almost nothing extra, and no wider at `0.7`. And broken text *drifts*: its scores move though no concept was pushed. Over all 32 openings the mean of the five is **0.08** up on the sea at `0.3` and **0.12** down on sentiment at `0.7`, and both intervals leave out 0.
#
# With CAA the mean score stays high while the text falls apart. Read a few: would you accept those at `0.7`, whatever their scores?

# %%
for c in concepts.CONCEPTS:
    for dose in (0.3, 0.7):
        print(f"{c}, dose {dose}: {to_choose[0]}{runs['CAA', c, dose].texts[0]!r}")

# %% tags=["numbers"]
at_3, at_7 = curve(effects, "CAA", "mean", [0.3, 0.7])[0]
cost_3, cost_7 = curve(costs, "CAA", "mean", [0.3, 0.7])[0].exp()
by_request, its_cost = (curve(of, "request", "mean", [0.0])[0, 0] for of in (effects, costs))
claim("change at dose 0.3", at_3, text=0.55, within=0.05)
claim("change at dose 0.7", at_7, text=0.68, within=0.05)
claim("perplexity at dose 0.3", cost_3, text=1.8, within=0.1)
claim("perplexity at dose 0.7", cost_7, text=8.1, within=0.1)
claim("request", by_request, text=0.39, within=0.05)
claim("factor of the request", its_cost.exp(), text=0.97, within=0.05)
at_most = torch.stack([stray_curve(effects, c) for c in COLUMNS[:3]]).abs().amax((0, 1))
claim("largest change by a random direction at 0.3", at_most[2], text=0.22, within=0.05)
assert at_most[4] < at_most[2]
is_zero = 100 * (plain_score["sentiment"] == 0).float().mean()
claim("VADER gives 0, % of unsteered texts", is_zero, text=34, within=1)
high = {c: runs["CAA", c, 0.7].score(c)[:, CHOOSE] > 0.9 for c in concepts.CONCEPTS}
claim("sentiment above 0.9, %", 100 * high["sentiment"].float().mean(), text=88, within=5)
grows, stops = (curve(effects, "CAA", c, CURVE)[0] for c in ("sentiment", "sea"))
assert (grows.diff() > 0.05).all() and stops[2] >= stops.max() and not high["sea"].any()
band = stray_curve(effects, "sentiment")
claim("width of the band, sentiment, 0.1", band[2, 0] - band[1, 0], text=0.20, within=0.03)
assert band[2, -1] - band[1, -1] <= band[2, 0] - band[1, 0]
assert stray_curve(costs, "mean")[0, 0].exp() < 1.02
drift = [
    with_ends(torch.stack([effects[stray, c, dose] for stray in STRAYS]).mean(0))
    for c, dose in (("sea", 0.3), ("sentiment", 0.7))
]
claim("drift on the sea", drift[0][0], text=0.08, within=0.02)
claim("drift on sentiment, down", drift[1][0], text=-0.12, within=0.02)
assert drift[0][1] > 0 > drift[1][2]
loop = [runs["pair 10", "formality", dose] for dose in (0.5, 0.7)]
assert loop[1].loss.mean() < loop[0].loss.mean() and loop[1].two.mean() > 0.5
assert (
    looks("CAA", 0.7)[2] < looks("CAA", 0.3)[2] and looks("CAA", 0.7)[0] > 2 * looks("CAA", 0.3)[0]
)
assert (at_7 - at_3) / 0.4 < at_3 / 0.3 and cost_7 > 2 * cost_3
assert by_request < sum(each[0] for each in gate.values()) / 3 - 0.1
dearer = curve(costs, "CAA", "mean", CURVE)[0] - stray_curve(costs, "mean")[0]
assert (dearer < math.log(1.25)).all()

# %% [markdown]
# ## 8. The comparison, on fresh openings
#
# In the manner of **AxBench**, a benchmark of steering methods: all methods, the same task, the same judge. Here six of them (the request, CAA, a probe's direction, and three single pairs: `pair 0`, `pair 10` and `pair 20`
# of each concept's 30, all shown), three concepts, and the 24 test
# openings, each with three samples.
#
# A dose that suits CAA may not suit a probe. So each method gets **its own dose**, by the rule of section 6, on the eight *choosing* openings: one dose for all three concepts; of the doses whose perplexity factor is at most `2` for every concept, the one with
# the largest mean change. The figure also has each method at `0.3`, to compare at the same dose (where it has two, its own is the lower), and five random directions (grey circles). (Full disclosure: that the rule asks for *every* concept, as in section 6, and not for their
# mean, was settled after results on some test openings had been seen. That is why dose `0.3` is reported too.)
#
# *Predict first:* which comes out first in effect? Which in cost? How far apart are three single pairs?

# %%
METHODS = ["CAA", "probe", "pair 0", "pair 10", "pair 20"]


def chosen_dose(method: str) -> float:
    """The dose with the largest mean change on the choosing openings, at a cost that is allowed."""
    worst = torch.stack([curve(costs, method, c, CURVE)[0] for c in concepts.CONCEPTS]).amax(0)
    change = curve(effects, method, "mean", CURVE)[0]
    return CURVE[change.masked_fill(worst.exp() > 2, -torch.inf).argmax().item()]


own_dose = {method: chosen_dose(method) for method in METHODS} | {"request": 0.0}
own_dose |= dict.fromkeys(STRAYS, own_dose["CAA"])


def tested(of: dict, method: str, concept: str = "mean", dose: float = math.nan) -> torch.Tensor:
    """Effects or costs on the test openings, at a dose or else the method's own, [opening]."""
    return of[method, concept, own_dose[method] if math.isnan(dose) else dose][TEST]


RANKED = ["request", *METHODS]
mean_of = {how: with_ends(tested(effects, how)) for how in RANKED}
factor_of = {how: with_ends(tested(costs, how)).exp() for how in RANKED}
shown_as = {how: how + f" at {own_dose[how]}" * (how != "request") for how in RANKED}
in_rows = [
    (how + f" at {dose}" * (dose > 0), how, dose)
    for how in RANKED
    for dose in sorted({own_dose[how], DOSE} if how != "request" else {0.0})
]
panels, circles = {}, {}
for c, head in zip([*COLUMNS, "mean"], [*HEADS, "perplexity factor"], strict=True):
    of, spell = (costs, torch.exp) if head == "perplexity factor" else (effects, torch.clone)
    panels[head] = {name: spell(with_ends(tested(of, how, c, d))) for name, how, d in in_rows}
    circles[head] = {
        f"random at {dose}": [spell(tested(of, stray, c, dose).mean()) for stray in STRAYS]
        for dose in (own_dose["CAA"], DOSE)
    }
plots.intervals(
    panels,
    dots=circles,
    marks=dict.fromkeys(panels, 0) | {"perplexity factor": 1},
    alike=HEADS,
    title="At its own dose CAA does about as much as the request on average, and costs more",
)

# %% [markdown]
# The rule gives CAA the dose **0.2**. Its `0.3` is over the limit by a hair, with factors between `2` and `2.1` on two concepts. Eight openings cannot tell that from `2`: the interval on sentiment reaches from below `2` to **3.0**. And on the test openings
# the worst factor at `0.3` is **1.8**, which would be allowed. So look at both doses.
#
# **At `0.2`** CAA changes the score by **0.37**, the request by **0.36**. The difference is **0.01** (interval **-0.06** to **0.07**): on average they cannot be told apart. CAA's text costs **1.2** times the perplexity, the requested text **0.96** times. **At
# `0.3`** CAA reaches **0.48**, for **1.6** times the perplexity. That is **0.12** (**0.04** to **0.20**) more effect than the request, for more damage.
#
# **It depends on the concept.** On formality CAA is ahead of the request even at `0.2`, by **0.15**; on the sea the request is ahead, by **0.15** (both intervals leave out 0). On sentiment the two cannot be told apart. Another choice of concepts would give
# another average.
#
# **The probe** changes the score by **0.32**. Beside CAA at the same dose, `0.3`, it costs about as much and does less, by **0.15**, though both saw the same vectors. **Single pairs** do less than CAA at dose `0.3`, by **0.09** or more each. With each
# method at its own dose, pair 10 stands highest, with **0.39**. But that cannot be told from CAA at `0.2`, and its text costs **1.6** times the perplexity. "Pair 10" of three concepts is three unrelated pairs, so a row is a mean of three draws. Taken one by one at `0.3`, a pair has
# from **29%** to **107%** of CAA's effect on its concept. (Those are the two ends of nine noisy ratios.)
#
# **The control.** No random direction changes a concept's score by more than **0.13** at `0.2`. CAA, of the same length, moves each by **0.29** or more. The smallest is the sea's. Less the mean of the five random directions it is **0.22**, still well above 0.
#
# A harder control is **another concept's vector**: as long, and from the same recipe. Score every text on all three concepts.

# %%
spilled = {
    (told, dose): [
        with_ends((runs["CAA", told, dose].score(c) - plain_score[c]).mean(0)[TEST])
        for c in concepts.CONCEPTS
    ]
    for dose, told in itertools.product((own_dose["CAA"], DOSE), concepts.CONCEPTS)
}
plots.table(
    [(f"{told} at {dose}", *map(spelled, row)) for (told, dose), row in spilled.items()],
    columns=["CAA for", *(f"scored on {c}" for c in concepts.CONCEPTS)],
)

# %% [markdown]
# At `0.2` the vectors keep to their own concept, as far as 24 openings can tell: on the other two the change is **0.08** at most, up or down, and each of those intervals holds 0. At `0.3` there is a leak: formality rises under the sea's vector, by **0.16**, and under
# that for sentiment, by **0.15**. Both intervals leave out 0.
#
# ### At equal effect, what does CAA cost?
#
# A dose is a choice, so compare at equal effect instead: at which dose does CAA's change reach the request's, and what does the text cost there? (Straight lines between the five doses and the origin. For the interval, openings are drawn anew, the same ones for all
# numbers.)


# %%
def where_reached(effect: list, cost: list, wanted: float) -> tuple[float, float]:
    """(dose, cost) at which an effect is first reached, nan if never; lines begin at the origin."""
    points = [(0.0, 0.0, 0.0), *zip(CURVE, map(float, effect), map(float, cost), strict=True)]
    for (dose, before, paid), (next_dose, after, next_paid) in itertools.pairwise(points):
        if before < wanted <= after:
            share = (wanted - before) / (after - before)
            return dose + share * (next_dose - dose), paid + share * (next_paid - paid)
    return math.nan, math.nan


def at_equal_effect(concept: str, openings: torch.Tensor) -> tuple[float, float, float]:
    """(dose, CAA's added loss, the request's) where CAA reaches the request, over some openings."""
    (effect, wanted), (cost, paid) = (
        [
            [tested(of, "CAA", concept, dose)[openings].mean() for dose in CURVE],
            tested(of, "request", concept)[openings].mean().item(),
        ]
        for of in (effects, costs)
    )
    return *where_reached(effect, cost, wanted), paid


drawn = torch.randint(24, (1000, 24), generator=torch.Generator().manual_seed(0))
equal, dearer, reached = {}, {}, {}
for c in COLUMNS:
    dose, loss, asked = equal[c] = at_equal_effect(c, torch.arange(24))
    _, losses, paid = torch.tensor([at_equal_effect(c, openings) for openings in drawn]).T
    ends = (losses - paid).nanquantile(torch.tensor([0.025, 0.975]))
    dearer[c] = torch.tensor([loss - asked, *ends]).exp()
    reached[c] = 100 * (~losses.isnan()).float().mean().item()
    ratio = spelled(dearer[c], "CAA's factor over the request's {:.2f} ({:.2f} to {:.2f})")
    print(f"{c}: dose {dose:.2f}, {ratio}, reached in {reached[c]:.0f}% of the draws")

# %% [markdown]
# CAA reaches the request's mean change at a dose of **0.19**. Its text is then **1.2** (**1.1** to **1.4**) times as perplexing as the requested text: on average, asking is the cheaper way.
# It is on sentiment too, though the interval almost touches 1: **1.2** (**1.03** to **2.0**). On
# formality the two cannot be told apart: **0.93**, with an interval on both sides of 1. On the sea CAA does not reach the request at any of the five doses; drawing openings anew, it does in **26%** of the draws.
#
# **Against the literature.** AxBench reports that "prompting outperforms all existing methods", on Gemma-2-2B and 9B, over 500 concepts. Here, at the dose that the rule picks, the two do about equally much on average, and the request is cheaper; CAA passes it on
# formality, or where more damage is allowed. Why is prompting no further ahead? A model of 135 million parameters follows instructions badly, and an opening like "It all started when my cousin" leaves the request little room: both may make the rival weak. One
# small model, three concepts and one wording of the request neither overturn AxBench nor confirm it.

# %% tags=["numbers"]
of_caa = {c: tested(effects, "CAA", c) - tested(effects, "request", c) for c in COLUMNS}
ahead = {c: with_ends(each) for c, each in of_caa.items()}
strong = {how: [tested(of, how, dose=DOSE) for of in (effects, costs)] for how in METHODS}
near = torch.stack([curve(costs, "CAA", c, [0.3])[:, 0] for c in COLUMNS[:2]]).exp()
assert (near[:, 0] > 2).all() and (near[:, 0] < 2.1).all() and (near[:, 1] < 2).all()
worst_tested = max(tested(costs, "CAA", c, 0.3).mean().exp() for c in concepts.CONCEPTS)
claim("factor at 0.3, sentiment, highest", near[0, 2], text=3.0, within=0.15)
claim("worst factor at 0.3, test openings", worst_tested, text=1.8, within=0.1)
claim("dose of CAA", own_dose["CAA"], text=0.2, within=0)
claim("CAA", mean_of["CAA"][0], text=0.37, within=0.03)
claim("request", mean_of["request"][0], text=0.36, within=0.03)
claim("CAA less request", ahead["mean"][0], text=0.01, within=0.03)
claim("its interval, low", ahead["mean"][1], text=-0.06, within=0.03)
claim("its interval, high", ahead["mean"][2], text=0.07, within=0.03)
claim("factor of CAA", factor_of["CAA"][0], text=1.2, within=0.1)
claim("factor of the request", factor_of["request"][0], text=0.96, within=0.05)
claim("CAA at the common dose", strong["CAA"][0].mean(), text=0.48, within=0.03)
claim("its factor", strong["CAA"][1].mean().exp(), text=1.6, within=0.1)
claim("formality, CAA ahead", ahead["formality"][0], text=0.15, within=0.03)
claim("sea, request ahead", -ahead["sea"][0], text=0.15, within=0.03)
assert ahead["formality"][1] > 0 > ahead["sea"][2]
more = with_ends(strong["CAA"][0] - tested(effects, "request"))
claim("CAA at 0.3 less request", more[0], text=0.12, within=0.03)
claim("its interval, low", more[1], text=0.04, within=0.03)
claim("its interval, high", more[2], text=0.20, within=0.03)
assert (strong["CAA"][1] - tested(costs, "request")).mean() > 0.3
assert ahead["sentiment"][1] < 0 < ahead["sentiment"][2]
behind = with_ends(strong["CAA"][0] - strong["probe"][0])
claim("CAA less the probe, at the common dose", behind[0], text=0.15, within=0.03)
assert behind[1] > 0 and 0.8 < (strong["CAA"][1] - strong["probe"][1]).mean().exp() < 1.25
assert max(RANKED, key=lambda how: mean_of[how][0]) == "pair 10" and own_dose["pair 10"] == 0.3
level = with_ends(tested(effects, "pair 10") - tested(effects, "CAA"))
claim("pair 10", mean_of["pair 10"][0], text=0.39, within=0.03)
claim("factor of pair 10", factor_of["pair 10"][0], text=1.6, within=0.1)
gaps = torch.stack([with_ends(strong["CAA"][0] - strong[pair][0]) for pair in METHODS[2:]])
claim("CAA less a pair, smallest", gaps[:, 0].min(), text=0.09, within=0.03)
assert (gaps[:, 1] > 0).all() and level[1] < 0 < level[2]
each = [[effects[how, c, DOSE][TEST].mean() for c in COLUMNS[:3]] for how in METHODS]
ratio = torch.tensor(each[2:]) / torch.tensor(each[0])  # of single pairs to CAA
claim("a pair's share of CAA's effect, lowest, %", 100 * ratio.min(), text=29, within=4)
claim("a pair's share of CAA's effect, highest, %", 100 * ratio.max(), text=107, within=4)
claim("probe", mean_of["probe"][0], text=0.32, within=0.03)
stray = max(tested(effects, s, c).mean().abs() for s in STRAYS for c in concepts.CONCEPTS)
least = min(tested(effects, "CAA", c).mean() for c in concepts.CONCEPTS)
claim("smallest change by CAA", least, text=0.29, within=0.03)
claim("largest change by a random direction", stray, text=0.13, within=0.03)
drifts = torch.stack([tested(effects, stray, "sea") for stray in STRAYS]).mean(0)
net = with_ends(tested(effects, "CAA", "sea") - drifts)
claim("CAA on the sea, less the drift", net[0], text=0.22, within=0.03)
assert net[1] > 0.1
others = [row[i] for (_, dose), row in spilled.items() if dose == 0.2 for i in range(3)]
others = [each for i, each in enumerate(others) if i % 4]  # all but the diagonal
claim("largest change on another concept", max(abs(x[0]) for x in others), text=0.08, within=0.03)
assert all(low < 0 < high for _, low, high in others)
sea_leak, mood_leak = (spilled[told, 0.3][1] for told in ("sea", "sentiment"))
claim("leak from the sea", sea_leak[0], text=0.16, within=0.03)
claim("leak from sentiment", mood_leak[0], text=0.15, within=0.03)
assert sea_leak[1] > 0 and mood_leak[1] > 0
claim("dose of CAA at equal effect", equal["mean"][0], text=0.19, within=0.02)
claim("CAA's factor over the request's", dearer["mean"][0], text=1.2, within=0.1)
claim("its interval, low", dearer["mean"][1], text=1.1, within=0.1)
claim("its interval, high", dearer["mean"][2], text=1.4, within=0.15)
claim("sentiment", dearer["sentiment"][0], text=1.2, within=0.1)
claim("its interval, low", dearer["sentiment"][1], text=1.03, within=0.1)
claim("its interval, high", dearer["sentiment"][2], text=2.0, within=0.2)
claim("formality", dearer["formality"][0], text=0.93, within=0.1)
claim("draws in which the sea is reached, %", reached["sea"], text=26, within=5)
assert dearer["sentiment"][1] > 1 and dearer["formality"][1] < 1 < dearer["formality"][2]
assert math.isnan(equal["sea"][0]) and all(reached[c] > 95 for c in COLUMNS if c != "sea")

# %% [markdown]
# ## 9. Where to add it
#
# So far the vector was added at every position but BOS. Two other habits: only at the **last token of the prompt**, and only in the text that the model **writes** ("the text alone").
# In the second the prompt's last token is not steered either, so the first new token is the model's own.
# (Live, for sentiment at dose `0.3`: two samples for each of the 24 test openings; unsteered and fully steered text come from the file.)
#
# *Predict first:* how much is left if one position in 25 is steered? (Six of the opening and 19 of the text; the last new token is never run.)

# %%
LAST = all_rows.shape[1] - 1  # BOS and six tokens: the prompt's last token is at position 6
POSITIONS = {
    "the prompt's last token": slice(LAST, LAST + 1),
    "the text alone": slice(LAST + 1, None),
}
base = plain_score["sentiment"][:2]
everywhere = (runs["CAA", "sentiment", DOSE].score("sentiment")[:2] - base).mean(0)[TEST]
place_change = {"all but BOS": everywhere}
for name, positions in POSITIONS.items():
    new = []
    for seed in range(2):  # 32 rows, as in the file: the same random numbers
        with steer(model, pushed, layer=LAYER, positions=positions):
            generator = torch.Generator().manual_seed(seed)
            new.append(sample(model, all_rows, n_tokens=N_TOKENS, generator=generator))
    texts = model.tokenizer.batch_decode(torch.cat(new))
    place_change[name] = (concepts.sentiment(texts).view(2, -1) - base).mean(0)[TEST]
for name, each in place_change.items():
    print(f"{name}: {spelled(with_ends(each))}")
print("all less the text alone:", spelled(with_ends(everywhere - place_change["the text alone"])))

# %% [markdown]
# At the prompt's last token alone little is left: **0.08**, of **0.43** with all positions. The vector is read by the blocks above at that position, and by later tokens through attention, in five layers only; each new token then starts without it. All
# positions give **0.04** more than the text alone (**-0.08** to **0.17**), which cannot be told from no difference, nor from a quarter of the whole effect. So a recipe that says "add the vector" is incomplete. Where, and at how many positions, changes the result; this
# experiment does not separate the two.

# %% tags=["numbers"]
at_last, in_text = (place_change[name] for name in POSITIONS)
text_ends = with_ends(everywhere - in_text)
claim("at the last token", at_last.mean(), text=0.08, within=0.12)
claim("at all but BOS", everywhere.mean(), text=0.43, within=0.15)
claim("all less the text alone", (everywhere - in_text).mean(), text=0.04, within=0.12)
claim("its interval, low", text_ends[1], text=-0.08, within=0.12)
claim("its interval, high", text_ends[2], text=0.17, within=0.12)
assert text_ends[1] < 0 < everywhere.mean() / 4 < text_ends[2]
assert at_last.mean() < 0.4 * everywhere.mean() and with_ends(everywhere - at_last)[1] > 0.1

# %% [markdown]
# ## 10. Try it yourself
#
# Choose a concept, a layer, a dose and an opening, and press the button; steered and unsteered run as one batch of two, in a few seconds. Try a negative dose. Try layer 2, and layer 28. Find the dose at which the text falls apart.


# %%
def write(concept: str, layer: int, dose: float, opening: str) -> tuple[str, str]:
    """30 tokens after an opening, without and with steering."""
    norm = norms.get(layer) or typical_norm(model, to_choose, layer=layer)
    vector = at_dose(direction(concept, "CAA", layer), dose, norm=norm)
    change = torch.stack([torch.zeros_like(vector), vector])[:, None]
    rows = model.to_tokens(opening).repeat(2, 1)
    with steer(model, change, layer=layer, positions=slice(1, None)):
        both = model.tokenizer.batch_decode(sample(model, rows, n_tokens=30, temperature=0))
    return opening + both[0], opening + both[1]


figures.side_by_side(
    write,
    names=("unsteered", "steered"),
    concept=list(concepts.CONCEPTS),
    layer=(LAYER, 1, 29, 1),
    dose=(DOSE, -1.0, 1.0, 0.05),
    opening=to_choose[0],
)

# %% [markdown]
# ## What you found

# %% tags=["results"]
elsewhere = {"request": "prompting outperforms all existing methods (AxBench, Gemma-2-2B and 9B)"}
elsewhere |= {"pair 0": "ActAdd: one pair can steer (Turner et al., GPT-2-XL and larger)"}
found = [(shown_as[how], mean_of[how], factor_of[how][0], elsewhere.get(how, "")) for how in RANKED]
found += [
    (
        f"{stray} at {own_dose[stray]} (control)",
        with_ends(tested(effects, stray)),
        tested(costs, stray).mean().exp(),
        "",
    )
    for stray in STRAYS
]
plots.table(
    [(name, spelled(change), f"x{factor:.2f}", note) for name, change, factor, note in found],
    columns=["SmolLM2-135M-Instruct, 24 test openings", "change of score, mean of three concepts"]
    + ["perplexity factor", "elsewhere (other models, not measured here)"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The layer was chosen with CAA vectors, and the other methods were given the same. How would you make the comparison fairer to them? What would it cost?
# 2. The requested text was charged for its surprise given the *bare* opening, and it came out no dearer than unsteered text. Is that measure fair to steering? What would a reader of the text say?
# 3. A vector is added at 25 positions. Is a dose at one position the same "amount" as a dose at all?
#
# ## Common mistakes
#
# - A steering result without random vectors *of equal norm*, and several. Any push changes the text.
# - Choosing layer, dose and the prettiest sample on the same prompts that you report.
# - One dose for all methods, chosen with your favourite.
# - Perplexity under the *steered* model: it finds its own text likely, whatever it is.
# - A hook that counts positions from the start of what runs *now*. With a cache, that is one token.
# - One sample of few openings. The gate gave the request more than three samples did later; and the unsteered baseline is a sample too, with luck of its own.
#
# ## Where this breaks
#
# One model of 135 million parameters, three concepts, one layer (chosen with CAA's vectors), 20 tokens, three samples of each. The intervals hold for more openings like these 24, not for other tasks.
#
# What the chat format does by itself was not separated from
# the request: part of the request's effect may be the format's. VADER counts words with rules; it does not read. The classifiers see letters, were tested on longer texts than these, and learned from text that the model wrote when *asked*, which may favour the
# request.
#
# Nobody read the texts blind, and nobody asked whether they make sense: the limit of `2` on the perplexity stands in for that, and another limit gives other doses.
#
# And a change of the score says nothing about *how* the model came to it: a vector that
# makes sea words likely need not be what the model itself uses to write about the sea.
#
# ## Further reading
#
# - Turner et al. (2023), *Steering Language Models With Activation Engineering* (ActAdd), arXiv 2308.10248
# - Rimsky et al. (2023), *Steering Llama 2 via Contrastive Activation Addition*, arXiv 2312.06681
# - Wu et al. (2025), *AxBench: Steering LLMs? Even Simple Baselines Outperform Sparse Autoencoders*, arXiv 2501.17148
# - Li et al. (2023), *Inference-Time Intervention*, arXiv 2306.03341: directions from probes, at heads
# - Zou et al. (2023), *Representation Engineering*, arXiv 2310.01405
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [2.3 · World models: a board that the model was never shown](23_world_models.ipynb) | **Next:** [3.2 · The emotion circle](32_emotion_circle.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/23_world_models.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/32_emotion_circle.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("31")
