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
# # 07 · Steering vectors, and what they cost
#
# [![Open lesson 07 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/07_steering_vectors.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. make a steering vector from contrast pairs, and add it while a model writes, cache and all;
# 2. measure what it does *and* what it costs, against random directions of the same length;
# 3. compare steering with its strongest rival, which is to ask the model.
#
# **Time** two hours. **Needs** lesson 05: difference of means, logistic probes, the bootstrap.
# **Runs** in three to four minutes on a laptop's processor.

# %% tags=["setup"]
import pathlib, subprocess, sys  # Set-up: the same in every lesson, safe to run twice.

here, url = pathlib.Path.cwd(), "https://github.com/heads-to-features/heads-to-features"
found = (p for p in [here, *here.parents] if (p / "utils" / "lesson.py").exists())
root = next(found, here / "heads-to-features")
if not root.exists():
    subprocess.run(["git", "clone", "--quiet", "--depth=1", url, str(root)], check=True)
sys.path[:0] = [] if str(root) in sys.path else [str(root)]
__import__("utils.lesson").lesson.begin()

# %%
import torch

from utils import concepts, contrast, plots, probes, progress
from utils.checks import claim, lesson_07
from utils.models import load

model = load()
cfg = model.cfg

# %% [markdown]
# ## 1. From reading to writing
#
# A probe *reads* a concept: a direction along which activations with the concept lie further out. So what happens if
# you push along that direction while the model writes? That is **steering**: add a vector to the residual stream, at one layer,
# and leave the weights alone.
#
# It works often enough to be dangerous. A strong push always changes the text, and a broken text can still
# score well on the concept. So each effect in this lesson has its cost beside it.
#
# Three concepts. Each is given by **contrast pairs**: nearly the same sentence with the concept and without it
# (`data/concepts/README.md`). Some pairs are for making vectors (`fit`), others, on other topics, for choosing (`test`).

# %% tags=["nbval-check-output"]
for concept in concepts.CONCEPTS:
    fit, held_out = (concepts.pairs(concept, part=part) for part in ("fit", "test"))
    print(f"{concept}: {len(fit)} pairs to fit, {len(held_out)} to choose on")
    print("   +", fit[0][0])
    print("   -", fit[0][1])

# %% [markdown]
# ### The instruments
#
# Who says that a text is positive, or about the sea? Not us, and not a list of words made up for the occasion. For sentiment: **VADER**, a lexicon of some
# 7,500 words rated by people, with rules for negation. For the other two: a small classifier (logistic
# regression on groups of 2 to 4 letters), trained on texts that this model wrote when asked for formal, casual, maritime and other texts.
# All scores run from `-1` to `1`.
#
# An instrument has an error of its own, so look at that first. Each classifier was trained on three quarters of its subjects. How often is it
# right about the rest? And how often does each instrument put the right half of a hand-written pair higher? (Those are another kind of text.)

# %%
on_pairs = {
    concept: (
        concepts.score(concept, [text for text, _ in concepts.pairs(concept)])
        > concepts.score(concept, [text for _, text in concepts.pairs(concept)])
    ).float()
    for concept in concepts.CONCEPTS
}
held_out_accuracy = {
    concept: concepts.classifier(concept).accuracy for concept in ("formality", "sea")
}
plots.table(
    [
        (
            concept,
            f"{held_out_accuracy[concept]:.2f}"
            if concept in held_out_accuracy
            else "(no training)",
            f"{on_pairs[concept].mean():.2f}",
        )
        for concept in concepts.CONCEPTS
    ],
    columns=["instrument", "right on held-out subjects", "right half of a pair higher"],
)

# %% [markdown]
# On subjects it was not trained on, the classifier of formality is right about **95%** of the texts, that of the sea about **80%**. (Asked for a story with
# a lifeboat in it, the model sometimes forgets the lifeboat; the label stays.) All three instruments put the right half of a pair higher in **94%** of the pairs or more.
#
# So these are usable, and noisy. An average over many texts can be trusted more than any single score.

# %% tags=["numbers"]
claim("formality, held out, %", 100 * held_out_accuracy["formality"], text=95, within=2)
claim("sea, held out, %", 100 * held_out_accuracy["sea"], text=80, within=3)
lowest = min(each.mean() for each in on_pairs.values())
claim("right half of a pair higher, lowest, %", 100 * lowest, text=94, within=2)

# %% [markdown]
# ### The gate: can the model do it when asked?
#
# If the model cannot write in a formal style at all, no vector will make it. So ask. The task in the whole lesson is to continue neutral
# **openings** of six tokens. Eight of them are for choosing, 24 others for testing.
#
# Two ways to **prompt**: a line before the opening, or a request in the chat format that this model was trained on, with the opening as the start of the answer. `sample` draws the next
# tokens, and uses the same random numbers with and without a prompt: less noise between the two.
#
# *Predict first:* which of the three concepts will 135 million parameters manage? And which prompt is better?

# %%
from utils.generation import sample

WANTED = {
    "sentiment": "a very happy and positive text",
    "formality": "a very formal and official text",
    "sea": "a text about the sea",
}
FORMS = {
    "a line": "<|im_start|>Here is {}.\n\n",  # this token is BOS, and begins every chat message
    "a request": "<|im_start|>user\nWrite {}.<|im_end|>\n<|im_start|>assistant\n",
}
N_TOKENS = 20
to_choose, to_test = concepts.openings(part="choose"), concepts.openings(part="test")


def to_rows(openings: list[str], *, before: str = "<|im_start|>") -> torch.Tensor:
    """Token ids with BOS, [opening, pos]; all openings have six tokens."""
    return torch.cat([model.to_tokens(before + text, prepend_bos=False) for text in openings])


def change_of_score(concept: str, new: torch.Tensor, unsteered: torch.Tensor) -> torch.Tensor:
    """How much more of the concept each new text has than the unsteered one, [text]."""
    after, before = (
        concepts.score(concept, model.tokenizer.batch_decode(t)) for t in (new, unsteered)
    )
    return after - before


plain_short = sample(model, to_rows(to_choose), n_tokens=N_TOKENS)
gate = {}
for name, form in FORMS.items():
    for concept, wanted in WANTED.items():
        rows = to_rows(to_choose, before=form.format(wanted))
        new = sample(model, rows, n_tokens=N_TOKENS)
        gate[concept, name] = change_of_score(concept, new, plain_short)
gate_range = {key: probes.bootstrap(each) for key, each in gate.items()}
plots.table(
    [
        (c, name, f"{each.mean():+.2f}", "{:+.2f} to {:+.2f}".format(*gate_range[c, name]))
        for (c, name), each in gate.items()
    ],
    columns=["concept", "prompt", "change of score", "95% interval, 8 openings"],
)

# %% [markdown]
# Asked in the chat format, the model can do all three: **0.56** on sentiment, **0.58** on formality, **0.68** on the sea, and each interval is above 0. The bare line does far less, and its intervals
# include 0. So the rival from here on is the request. That is a choice, and these eight openings made it.
#
# (A bootstrap over eight openings is rough, and rather too narrow than too wide.)

# %% tags=["numbers"]
asked = {c: gate[c, "a request"].mean().item() for c in concepts.CONCEPTS}
claim("request, sentiment", asked["sentiment"], text=0.56, within=0.2)
claim("request, formality", asked["formality"], text=0.58, within=0.25)
claim("request, sea", asked["sea"], text=0.68, within=0.2)
for c in concepts.CONCEPTS:
    assert gate_range[c, "a request"][0] > 0 > gate_range[c, "a line"][0]
    assert asked[c] > 1.5 * gate[c, "a line"].mean()

# %% [markdown]
# ## 2. Three ways to a vector
#
# All three start from the same sentences, at some layer L (what block L *reads*, as in lesson 05).
#
# - **ActAdd** (activation addition): the difference between the two halves of *one* pair.
# - **CAA** (contrastive activation addition): the mean of that difference over many pairs. With pairs this is lesson 05's difference of means.
# - **A probe's direction**: the weights of a logistic regression that tells the two halves apart.
#
# A sentence has a vector at every token. Which one? The vector will be added at *every* token, so take the mean over the
# tokens of the sentence. Not over BOS, whose vector is unlike all others, and not over padding.
#
# ### Exercise 1 · the mean over tokens (15 minutes, medium)


# %%
def mean_over_tokens(resid: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The mean vector of each text, without BOS and without padding, [batch, d_model].

    Args:
        resid: [batch, pos, d_model]; BOS stands at position 0, padding on the right.
        lengths: [batch], how many tokens of each row are text, BOS among them.
    """
    ### BEGIN SOLUTION
    at = torch.arange(resid.shape[1], device=resid.device)
    mask = (at > 0) & (at < lengths.to(resid.device)[:, None])
    return (resid * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
lesson_07.check_mean_over_tokens(mean_over_tokens)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Make a mask [batch, pos] that is True where there is text: after position 0, and before `lengths`. `lengths[:, None]` has one row for each text, so that it
# compares with `torch.arange(pos)`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Multiply `resid` by `mask[..., None]`, sum over positions, and divide by `mask.sum(1, keepdim=True)`. A `mean` would divide by the number of columns.
#
# </details>

# %%
from utils.contrast import mean_over_tokens

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
    yes, no = (half[layer] for half in halves[concept])
    if method == "ActAdd":
        return yes[0] - no[0]  # the first pair of the file
    if method == "CAA":
        return (yes - no).mean(0)
    if method.startswith("shuffled"):  # half of the pairs, drawn at random, are turned round
        random = torch.Generator().manual_seed(int(method.split()[1]))
        turned = torch.randperm(len(yes), generator=random) % 2 * 2 - 1
        return (turned[:, None] * (yes - no)).mean(0)
    y = torch.tensor([1, 0]).repeat_interleave(len(yes))
    return probes.logistic(torch.cat([yes, no]), y).direction


# %% [markdown]
# ## 3. How hard to push
#
# The three vectors have quite different lengths, which mean little: a probe's depends on its penalty. To compare
# methods, give all the same length. The natural unit is the **typical norm**: the median length of the residual
# stream itself at that layer. A **dose** of `0.3` is a vector three tenths as long.
#
# ### Exercise 2 · a vector of a given dose (5 minutes, easy)


# %%
def at_dose(direction: torch.Tensor, dose: float, *, norm: float) -> torch.Tensor:
    """The vector along a direction whose length is `dose` times `norm`, of the same shape.

    Args:
        direction: [d_model], or several, [..., d_model], each of which gets this length.
        norm: the typical norm of the residual stream.
    """
    ### BEGIN SOLUTION
    return direction / direction.norm(dim=-1, keepdim=True) * dose * norm
    ### END SOLUTION


# %% tags=["check"]
lesson_07.check_at_dose(at_dose)

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
# *Any* vector of some length disturbs the model, and a disturbed text may score higher or lower by itself. So every steering vector
# meets random vectors of **the same length**. Draw them so that no direction is preferred: normal entries do that.


# %%
def random_directions(n: int, like: torch.Tensor, *, seed: int) -> torch.Tensor:
    """Directions drawn at random, each as long as `like`, [n, d_model].

    Args:
        like: [d_model].
        seed: of a torch.Generator of your own, so that no other random number depends on it.
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, len(like), generator=generator)
    return drawn / drawn.norm(dim=-1, keepdim=True) * like.norm()
    ### END SOLUTION


# %% tags=["check"]
lesson_07.check_random_directions(random_directions)

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
from utils.steering import at_dose, random_directions, typical_norm

norms = {layer: typical_norm(model, to_choose, layer=layer) for layer in (5, 10, 15, 20, 25)}
plots.table(
    [
        (
            layer,
            f"{norm:.0f}",
            *(f"{direction(c, 'CAA', layer).norm() / norm:.2f}" for c in concepts.CONCEPTS),
            *(
                "{:.2f}".format(
                    torch.cosine_similarity(
                        direction(c, "CAA", layer), direction(c, "probe", layer), dim=0
                    )
                )
                for c in concepts.CONCEPTS
            ),
        )
        for layer, norm in norms.items()
    ],
    columns=["layer", "typical norm"]
    + [f"dose of the raw CAA vector, {c}" for c in concepts.CONCEPTS]
    + [f"cosine of CAA and probe, {c}" for c in concepts.CONCEPTS],
)

# %% [markdown]
# At layer 15 the residual stream is about **163** long. The raw CAA vectors have a dose of only **0.12**, **0.19** and **0.09** there: what tells formal from casual is a small
# part of what a token carries. (Papers that steer "with coefficient 10" mean ten of *these*, whose length differs from concept to concept. Hence the dose.)
#
# CAA and the probe saw the same vectors, and yet their directions differ: the cosines at layer 15 are **0.64**, **0.53** and **0.56**. The mean difference
# follows where the data lie; the probe also avoids directions in which they vary anyway.

# %% tags=["numbers"]
at_15 = {m: [direction(c, m, 15) for c in concepts.CONCEPTS] for m in ("CAA", "probe")}
raw_dose = [vector.norm() / norms[15] for vector in at_15["CAA"]]
cosine = [torch.cosine_similarity(a, b, dim=0) for a, b in zip(*at_15.values(), strict=True)]
claim("typical norm at layer 15", norms[15], text=163, within=3)
claim("raw dose, sentiment", raw_dose[0], text=0.12, within=0.01)
claim("raw dose, formality", raw_dose[1], text=0.19, within=0.01)
claim("raw dose, sea", raw_dose[2], text=0.09, within=0.01)
claim("cosine of CAA and probe, sentiment", cosine[0], text=0.64, within=0.03)
claim("cosine of CAA and probe, formality", cosine[1], text=0.53, within=0.03)
claim("cosine of CAA and probe, sea", cosine[2], text=0.56, within=0.03)

# %% [markdown]
# ## 4. Writing under a push
#
# A model that writes keeps keys and values of what it has read, the **key-value cache**, and runs one new token at a time. So a hook on the residual
# stream sees the whole prompt once, and after that a single position at each step. A hook that steers "positions 7 and later" must know how
# many positions went before. To forget that is a mistake that raises no error: the prompt is steered, and the text is not.
#
# ### Exercise 4 · the steering hook (15 minutes, medium)


# %%
def add_from(resid: torch.Tensor, vector: torch.Tensor, *, start: int, past: int) -> torch.Tensor:
    """A copy of `resid` with `vector` added at all positions of the text from `start` on.

    Args:
        resid: [batch, here, d_model], the positions that run now.
        vector: [d_model].
        start: counted from the start of the whole text, where BOS is 0.
        past: how many positions are in the cache: `resid[:, 0]` is position `past` of the text.
    """
    ### BEGIN SOLUTION
    position = past + torch.arange(resid.shape[1], device=resid.device)
    return resid + (position >= start)[:, None] * vector
    ### END SOLUTION


# %% tags=["check"]
lesson_07.check_add_from(add_from)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Number the positions that run now as the whole text numbers them: the first is `past`, the next `past + 1`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `(position >= start)[:, None]` is a column of True and False. Multiply it with `vector`, and add the product to `resid`, without changing `resid` itself.
#
# </details>

# %% [markdown]
# The course's `steer` does that for you, at any layer, while its `with` block lasts. Hold your hook (in the library's version) against it.

# %%
from utils.contrast import add_from
from utils.steering import steer

vector = at_dose(direction("sea", "CAA", 15), 0.3, norm=norms[15]).to(cfg.device)
rows = to_rows(to_choose[:2])
by_hand_hook = ("blocks.15.hook_resid_pre", lambda r, hook: add_from(r, vector, start=1, past=0))
with torch.no_grad():
    with model.hooks(fwd_hooks=[by_hand_hook]):
        by_hand = model(rows)
    with steer(model, vector, layer=15, positions=slice(1, None)):
        by_library = model(rows)
    assert torch.allclose(by_hand, by_library, atol=1e-4)
    assert not torch.allclose(by_hand, model(rows), atol=1)
with steer(model, vector, layer=15, positions=slice(1, None)):
    first_try = sample(model, rows[:1], n_tokens=30)
print("unsteered:", to_choose[0] + model.tokenizer.decode(sample(model, rows[:1])[0]))
print("steered:  ", to_choose[0] + model.tokenizer.decode(first_try[0]))

# %% [markdown]
# The two agree, and the vector is at work. Now for numbers.
#
# ## 5. What it costs
#
# Three measures, because each can be fooled.
#
# - **Perplexity under the unsteered model.** Let the *unsteered* model read the steered text: how surprised is it? The mean
#   loss of a token, in nats, exponentiated. We report it over that of the unsteered text: a factor of `2` means that each token is on average
#   twice as unlikely. Also for a prompted text the model reads the *bare opening*, so that all methods are measured alike.
# - **Repetition.** A model that loops ("the sea the sea the sea") has a *low* perplexity. So count: the share of 2-grams and 3-grams (two or three
#   tokens in a row) that had occurred before.
# - **The zlib ratio**: compressed size over size. Repetition of any kind compresses.
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
lesson_07.check_token_losses(token_losses)

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


# %%
def repetition(tokens: torch.Tensor, *, n: int) -> torch.Tensor:
    """For each row, the share of its n-grams that had occurred before in the row, [batch].

    Args:
        tokens: [batch, pos]. Its n-grams overlap: one starts at every position that leaves room.
    """
    ### BEGIN SOLUTION
    shares = []
    for row in tokens.tolist():
        grams = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
        shares.append(1 - len(set(grams)) / len(grams))
    return torch.tensor(shares)
    ### END SOLUTION


# %% tags=["check"]
lesson_07.check_repetition(repetition)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Of a kind of n-gram that comes four times, three had occurred before. So: all n-grams, less the number of kinds.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A `set` of tuples holds each kind once. A row of `p` tokens has `p - n + 1` n-grams.
#
# </details>

# %% [markdown]
# ## 6. Which layer, which dose? The cheap way
#
# Sampling is slow and noisy. A single forward pass tells a good deal. Take the pairs that were *not* used for the vectors, and
# compare the log probabilities of their two sentences:
#
# - **effect**: how much steering moves (log probability of "with") - (log probability of "without"), a token, in nats;
# - **cost**: by what factor *one* token drawn from the steered model is more surprising to the unsteered one than
#   its own. (Computed over the whole vocabulary; nothing is drawn.)
#
# **The rule, before you look:** one layer and one dose for all three concepts. Of those with a cost of at most `2` for every concept, take the one
# with the largest mean effect. That serves CAA, whose vectors are used here; the others will have to live with it.
#
# *Predict first:* the literature often starts at one to three times the typical norm. Here?

# %%
LAYERS, DOSES = [5, 15, 20, 25], [0.2, 0.3, 0.45, 1.0]
chosen_on = {c: concepts.pairs(c, part="test")[::3] for c in concepts.CONCEPTS}
plain = {c: contrast.read_pairs(model, chosen_on[c]) for c in concepts.CONCEPTS}


def effect_and_cost(concept: str, vector: torch.Tensor, layer: int) -> tuple[float, float]:
    """What a vector does to held-out pairs: nats a token, and the cost of one token."""
    with steer(model, vector, layer=layer, positions=slice(1, None)):
        steered = contrast.read_pairs(model, chosen_on[concept])
    effect = (steered.preference - plain[concept].preference).mean().item()
    return effect, contrast.one_token_cost(steered, plain[concept])


def sweep(method: str) -> torch.Tensor:
    """Effect and cost, [concept, layer, dose, 2]."""
    return torch.tensor(
        [
            [
                [
                    effect_and_cost(c, at_dose(direction(c, method, i), d, norm=norms[i]), i)
                    for d in DOSES
                ]
                for i in LAYERS
            ]
            for c in concepts.CONCEPTS
        ]
    )


swept = sweep("CAA")
mean_effect, worst_cost = swept[..., 0].mean(0), swept[..., 1].amax(0)
allowed = worst_cost <= 2
best = mean_effect.masked_fill(~allowed, -torch.inf).argmax().item()
LAYER, DOSE = LAYERS[best // len(DOSES)], DOSES[best % len(DOSES)]
plots.matrix_heatmap(
    mean_effect,
    rows=[f"layer {layer}" for layer in LAYERS],
    columns=[f"dose {dose}" for dose in DOSES],
    title="Late layers move the pairs most",
    x="",
    y="",
    label="effect (nats)",
    ends=(-mean_effect.max().item(), mean_effect.max().item()),
)

# %%
plots.table(
    [
        (f"layer {i}", *(f"{cost:.2f}{'' if cost <= 2 else ' (too much)'}" for cost in row))
        for i, row in zip(LAYERS, worst_cost.tolist(), strict=True)
    ],
    columns=["cost, the worst of three concepts"] + [f"dose {dose}" for dose in DOSES],
)

# %% [markdown]
# The rule takes layer **25** and dose **0.3**: a mean effect of **1.1** nats a token, at a cost of at most **1.5**. Layer 25 is close to the end (there are 30), where a vector can push words up
# directly. (Full disclosure: while this lesson was written, texts steered at layers 9, 15 and 21 were sampled on the choosing openings too. Sentiment and formality did well at all three.)
#
# And the rule of thumb? With a dose of `1` or more, one token is already **19** times as surprising or worse, at each of these layers. In this model, by this measure of length, a good
# dose is a third of the typical norm and not one to three times it. At layer 15 the dose of `1` even has *less* effect than that of `0.45`.
#
# Now the same measure for the other vectors, all of this length and at this layer. Two controls: random directions, and CAA with **shuffled labels** (half
# of the pairs turned round, drawn at random).

# %%
vectors = {
    (c, method): at_dose(direction(c, method, LAYER), DOSE, norm=norms[LAYER])
    for c in concepts.CONCEPTS
    for method in ("CAA", "ActAdd", "probe", "shuffled 0", "shuffled 1", "shuffled 2")
}
strays = random_directions(3, vectors["sea", "CAA"], seed=0)
vectors |= {(c, f"random {i}"): stray for c in concepts.CONCEPTS for i, stray in enumerate(strays)}
forced = {(c, method): effect_and_cost(c, v, LAYER) for (c, method), v in vectors.items()}


def shown(concept: str, kind: str) -> str:
    """Effect and cost of one vector, or the range of the effects and the mean cost of three."""
    found = [each for (c, name), each in forced.items() if c == concept and name.startswith(kind)]
    effects, factors = zip(*found, strict=True)
    ends = dict.fromkeys([f"{min(effects):+.2f}", f"{max(effects):+.2f}"])
    return f"{' to '.join(ends)} (x{sum(factors) / len(factors):.2f})"


kinds = ["CAA", "ActAdd", "probe", "shuffled", "random"]
plots.table(
    [(c, *(shown(c, kind) for kind in kinds)) for c in concepts.CONCEPTS],
    columns=["effect (cost)", *kinds[:3], "CAA with labels shuffled, three", "random, three"],
)

# %% [markdown]
# CAA moves each concept by **0.87** nats or more. Of nine random vectors and pairs none goes beyond **0.34**, and of the shuffled ones none beyond **0.16**. So the direction matters, and not
# the push alone. One pair (ActAdd) gets most of the way; it costs more on sentiment and formality.
#
# Look at the costs of the random vectors, though: about as high as CAA's. What you pay for is the *length* of the vector. What you get for it depends on the direction.

# %% tags=["numbers"]
claim("layer", LAYER, text=25, within=0)
claim("dose", DOSE, text=0.3, within=0)
claim("mean effect there, nats", mean_effect.flatten()[best], text=1.1, within=0.1)
claim("worst cost there", worst_cost.flatten()[best], text=1.5, within=0.1)
claim("lowest of the worst costs at dose 1", worst_cost[:, -1].min(), text=19, within=2)
assert mean_effect[LAYERS.index(15), -1] < 0.8 * mean_effect[LAYERS.index(15), -2]
caa = [forced[c, "CAA"] for c in concepts.CONCEPTS]
stray_found = [each for (_, name), each in forced.items() if name.startswith("random")]
shuffled_found = [each for (_, name), each in forced.items() if name.startswith("shuffled")]
one_pair = [forced[c, "ActAdd"] for c in concepts.CONCEPTS]
claim("smallest effect of CAA, nats", min(e for e, _ in caa), text=0.87, within=0.08)
claim("largest effect of a random vector", max(e for e, _ in stray_found), text=0.34, within=0.08)
claim("largest with shuffled labels", max(e for e, _ in shuffled_found), text=0.16, within=0.08)
assert all(one[0] > 0.6 * many[0] for one, many in zip(one_pair, caa, strict=True))
assert all(one[1] > many[1] for one, many in zip(one_pair[:2], caa[:2], strict=True))
of_random, of_caa = (sum(c for _, c in f) / len(f) for f in (stray_found, caa))
assert 0.9 < of_random / of_caa < 1.2

# %% [markdown]
# ## 7. Dose and response, in text that the model writes
#
# Now sample, on the eight openings for choosing, at layer 25. Four doses for each concept run as one batch: `steer` takes a change for each row. The
# control: a different random direction for each opening, of the same length, scored on all three concepts.
#
# Effect and cost share one axis here. The effect is the change of the score (which runs from `-1` to `1`). The cost is in **doublings** of the
# perplexity: `1` is a factor of 2, `2` a factor of 4.
#
# *Predict first:* as the dose grows, does the effect keep growing?

# %%
from utils.generation import repetition, token_losses, zlib_ratio

CURVE = [0.1, 0.2, 0.3, 0.45, 0.7]
plain_loss = token_losses(model, to_rows(to_choose), plain_short).mean(1)


def dose_response(directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts at each dose of CURVE, and what they cost in doublings, [dose, opening, ...].

    Args:
        directions: [opening, d_model].
    """
    doses = [at_dose(directions, dose, norm=norms[LAYER]) for dose in CURVE]
    rows = to_rows(to_choose).repeat(len(CURVE), 1)
    with steer(model, torch.cat(doses)[:, None], layer=LAYER, positions=slice(1, None)):
        new = sample(model, rows, n_tokens=N_TOKENS)
    cost = token_losses(model, rows, new).mean(1).view(len(CURVE), -1) - plain_loss
    return new.view(len(CURVE), len(to_choose), -1), cost / torch.tensor(2.0).log().item()


def responses(concept: str, texts: torch.Tensor) -> torch.Tensor:
    """The mean change of the score at each dose, [dose]."""
    return torch.stack([change_of_score(concept, new, plain_short).mean() for new in texts])


curves = {
    c: dose_response(direction(c, "CAA", LAYER).expand(len(to_choose), -1))
    for c in concepts.CONCEPTS
}
random_texts, random_cost = dose_response(random_directions(len(to_choose), strays[0], seed=1))
effects = {c: responses(c, curves[c][0]) for c in concepts.CONCEPTS}
random_effect = torch.stack([responses(c, random_texts) for c in concepts.CONCEPTS]).mean(0)
steered_effect = torch.stack(list(effects.values())).mean(0)
steered_cost = torch.stack([cost.mean(1) for _, cost in curves.values()]).mean(0)
plots.lines(
    {
        "effect, CAA": steered_effect.tolist(),
        "cost, CAA": steered_cost.tolist(),
        "effect, random": random_effect.tolist(),
        "cost, random": random_cost.mean(1).tolist(),
    },
    at=CURVE,
    title="The effect levels off, the cost goes on rising",
    x="dose (typical norms); mean of three concepts",
    y="score; doublings",
    chance=0,
)

# %%
plots.table(
    [
        (
            dose,
            *(
                f"{effects[c][i]:+.2f} (x{2 ** curves[c][1][i].mean():.1f})"
                for c in concepts.CONCEPTS
            ),
            f"{random_effect[i]:+.2f} (x{2 ** random_cost[i].mean():.1f})",
        )
        for i, dose in enumerate(CURVE)
    ],
    columns=["dose: effect (perplexity)", *concepts.CONCEPTS, "random"],
)

# %% [markdown]
# From dose `0.3` to `0.7` the effect goes from **0.61** to **0.68**, on average over the concepts, while the perplexity goes from **1.5** times that of unsteered text to **6.9** times. Push harder, and you buy damage.
# The random vectors cost more still at that dose, and change the scores by at most **0.17**.
#
# The sea is different: its effect is largest in the middle, and falls again. With sentiment and formality the score stays high while the text falls apart. Read a few: would you
# accept the last of each pair, whatever its score?

# %%
for c in concepts.CONCEPTS:
    for dose in (0.3, 0.7):
        text = model.tokenizer.decode(curves[c][0][CURVE.index(dose)][0])
        print(f"{c}, dose {dose}: {to_choose[0]}{text!r}")

# %% tags=["numbers"]
at_03, at_07 = CURVE.index(0.3), CURVE.index(0.7)
claim("effect at dose 0.3", steered_effect[at_03], text=0.61, within=0.15)
claim("effect at dose 0.7", steered_effect[at_07], text=0.68, within=0.15)
claim("perplexity at dose 0.3", 2 ** steered_cost[at_03], text=1.5, within=0.4)
claim("perplexity at dose 0.7", 2 ** steered_cost[at_07], text=6.9, within=2)
claim("largest effect of random vectors", random_effect.max(), text=0.17, within=0.12)
assert random_cost.mean(1)[at_07] > steered_cost[at_07]
assert effects["sea"][-2:].max() < effects["sea"][:-2].max()

# %% [markdown]
# ## 8. The comparison, on fresh openings
#
# Now the 24 test openings, at the layer and dose that were chosen elsewhere. Four methods for each concept, all
# vectors of one length, and a random vector for each opening.
#
# (Full disclosure: an early version of this lesson tried the bare line on them. It did little, and that is why the
# request was written too; the choice between the two was made above, on the other eight.)
#
# *Predict first:* rank ActAdd, CAA, the probe and the prompt by their effect. And by their cost?

# %%
METHODS = ["prompt", "CAA", "ActAdd", "probe"]
bare = to_rows(to_test)


def steered_texts(change: torch.Tensor, *, positions: slice = slice(1, None)) -> torch.Tensor:
    """What the model writes after the test openings, [opening, token]."""
    with steer(model, change, layer=LAYER, positions=positions):
        return sample(model, bare, n_tokens=N_TOKENS)


unsteered = sample(model, bare, n_tokens=N_TOKENS)
requests = {c: to_rows(to_test, before=FORMS["a request"].format(w)) for c, w in WANTED.items()}
written = {(c, "prompt"): sample(model, r, n_tokens=N_TOKENS) for c, r in requests.items()} | {
    (c, method): steered_texts(vectors[c, method])
    for c in concepts.CONCEPTS
    for method in METHODS[1:]
}
at_random = steered_texts(random_directions(len(to_test), strays[0], seed=2)[:, None])
written |= {(c, "random"): at_random for c in concepts.CONCEPTS}


def measured(new: torch.Tensor) -> dict[str, torch.Tensor]:
    """Loss, repetition and zlib ratio of each text, each [opening]."""
    return {
        "loss": token_losses(model, bare, new).mean(1).cpu(),
        "2-grams": repetition(new, n=2),
        "3-grams": repetition(new, n=3),
        "zlib": zlib_ratio(model.tokenizer.batch_decode(new)),
    }


costs_random, costs_plain = measured(at_random), measured(unsteered)
costs = {key: costs_random if key[1] == "random" else measured(new) for key, new in written.items()}
effect = {key: change_of_score(key[0], new, unsteered) for key, new in written.items()}
effect_range = {key: probes.bootstrap(each) for key, each in effect.items()}
cost_factor = {
    key: (each["loss"] - costs_plain["loss"]).mean().exp().item() for key, each in costs.items()
}
plots.table(
    [
        (
            c,
            method,
            f"{effect[c, method].mean():+.2f}",
            "{:+.2f} to {:+.2f}".format(*effect_range[c, method]),
            f"x{cost_factor[c, method]:.2f}",
            *(f"{costs[c, method][name].mean():.2f}" for name in ("2-grams", "3-grams", "zlib")),
        )
        for c in concepts.CONCEPTS
        for method in [*METHODS, "random"]
    ]
    + [
        ("", "unsteered", "", "", "x1")
        + tuple(f"{costs_plain[name].mean():.2f}" for name in ("2-grams", "3-grams", "zlib"))
    ],
    columns=["concept", "method", "change of score", "95% interval", "perplexity"]
    + ["2-grams repeated", "3-grams repeated", "zlib ratio"],
)

# %%
names = [*METHODS, "random"]
overall = {m: torch.stack([effect[c, m] for c in concepts.CONCEPTS]).mean(0) for m in names}
overall_range = {m: probes.bootstrap(each) for m, each in overall.items()}
overall_loss = {
    m: torch.stack([costs[c, m]["loss"] - costs_plain["loss"] for c in concepts.CONCEPTS]).mean(0)
    for m in names
}
overall_cost = {m: each.mean().exp().item() for m, each in overall_loss.items()}
plots.scatter(
    {m: (overall_cost[m], overall[m].mean().item()) for m in names},
    title="Steering moves the text further, and the prompt costs less",
    x="cost: perplexity under the unsteered model, over that of unsteered text",
    y="effect: change of score",
    named=names,
)

# %%
gain = {c: effect[c, "CAA"] - effect[c, "prompt"] for c in concepts.CONCEPTS}
gain["mean of the three"] = overall["CAA"] - overall["prompt"]
gain_range = {c: probes.bootstrap(each) for c, each in gain.items()}
plots.table(
    [
        (c, f"{each.mean():+.2f}", "{:+.2f} to {:+.2f}".format(*gain_range[c]))
        for c, each in gain.items()
    ],
    columns=["change of score, CAA less prompt", "mean", "95% interval"],
)

# %% [markdown]
# On average CAA changes the score by **0.52** (interval **0.41** to **0.61**), the request by **0.28** (**0.15** to **0.41**), random vectors by **0.06** (**-0.06** to **0.17**). So steering moves the score further here, by
# **0.24** (**0.10** to **0.37**). But not everywhere: on sentiment and formality it is ahead, on the sea the prompt is (not beyond doubt), and CAA's interval on the sea reaches down to about 0.
#
# And steering is paid for. CAA's text is **1.7** times as perplexing as unsteered text, the same as with a random vector (**1.7**). The prompted text costs hardly anything: **1.0**. No method makes the model repeat itself
# at this dose; the largest share of repeated 2-grams is **4%**, and the zlib ratios differ little.
#
# Of the three vectors, CAA has the largest effect on sentiment and formality; on the sea the three are alike. But remember that the layer and the dose were chosen with CAA's vectors. And
# the classifier of the sea learned from text that the model wrote when *asked*, which may favour the request.
#
# **Against the literature.** AxBench compared many methods on models of 2 and 9 billion parameters, over 500 concepts, with a language model as the judge: prompting came out first. Here it is first in cost,
# and on the sea. A model of 135 million parameters follows instructions badly, and an opening like "It all started when my cousin" leaves the request little room. Both make the rival weak. This is one small
# model, three concepts, and 24 openings: it does not overturn AxBench.

# %% tags=["numbers"]
claim("CAA", overall["CAA"].mean(), text=0.52, within=0.1)
claim("CAA, low", overall_range["CAA"][0], text=0.41, within=0.1)
claim("CAA, high", overall_range["CAA"][1], text=0.61, within=0.1)
claim("request", overall["prompt"].mean(), text=0.28, within=0.12)
claim("request, low", overall_range["prompt"][0], text=0.15, within=0.12)
claim("request, high", overall_range["prompt"][1], text=0.41, within=0.12)
claim("random", overall["random"].mean(), text=0.06, within=0.1)
claim("random, low", overall_range["random"][0], text=-0.06, within=0.1)
claim("random, high", overall_range["random"][1], text=0.17, within=0.1)
claim("CAA less request", gain["mean of the three"].mean(), text=0.24, within=0.12)
claim("its interval, low", gain_range["mean of the three"][0], text=0.10, within=0.1)
claim("its interval, high", gain_range["mean of the three"][1], text=0.37, within=0.12)
claim("perplexity, CAA", overall_cost["CAA"], text=1.7, within=0.3)
claim("perplexity, random", overall_cost["random"], text=1.7, within=0.3)
claim("perplexity, request", overall_cost["prompt"], text=1.0, within=0.2)
most = 100 * max(each["2-grams"].mean() for each in costs.values())
claim("largest share of repeated 2-grams, %", most, text=4, within=2)
assert all(effect[c, "CAA"].mean() > effect[c, "prompt"].mean() for c in ("sentiment", "formality"))
assert effect["sea", "CAA"].mean() < effect["sea", "prompt"].mean()
assert gain_range["sea"][1] > 0 and effect_range["sea", "CAA"][0] < 0.1
for c in ("sentiment", "formality"):
    assert all(effect[c, "CAA"].mean() > effect[c, m].mean() for m in ("ActAdd", "probe"))
of_vectors = [effect["sea", method].mean() for method in METHODS[1:]]
assert max(of_vectors) - min(of_vectors) < 0.2
assert max(abs(e["zlib"].mean() - costs_plain["zlib"].mean()) for e in costs.values()) < 0.1

# %% [markdown]
# ## 9. Where to add it
#
# So far the vector was added at every position but BOS. Two other habits: only at the **last token of the prompt**, and only while the
# model **writes**. In the second the prompt's last token is not steered either, so the first new token is the model's own.
#
# *Predict first:* how much is left if one position in 26 is steered?

# %%
LAST = bare.shape[1] - 1  # BOS and six tokens: the prompt's last token is at position 6
PLACES = {"the prompt's last token": slice(LAST, LAST + 1), "the text alone": slice(LAST + 1, None)}
placed = {
    name: steered_texts(vectors["sentiment", "CAA"], positions=where)
    for name, where in PLACES.items()
} | {"all but BOS": written["sentiment", "CAA"]}
place_effect = {n: change_of_score("sentiment", new, unsteered) for n, new in placed.items()}
place_range = {n: probes.bootstrap(each) for n, each in place_effect.items()}
place_cost = {
    n: (measured(new)["loss"] - costs_plain["loss"]).mean().exp().item()
    for n, new in placed.items()
}
plots.table(
    [
        (
            name,
            f"{place_effect[name].mean():+.2f}",
            "{:+.2f} to {:+.2f}".format(*place_range[name]),
            f"x{place_cost[name]:.2f}",
        )
        for name in placed
    ],
    columns=["sentiment, CAA, added at", "change of score", "95% interval", "perplexity"],
)

# %% [markdown]
# At the prompt's last token alone hardly anything happens: **0.09** (interval **-0.10** to **0.29**), at no cost. The vector is read by the blocks above at that position, and by later
# tokens through attention, in five layers only; each new token then starts without it. With the text alone the effect is **0.42**, and with all positions **0.57**; these two cannot be told apart with 24 openings.
#
# So a recipe that says "add the vector" is incomplete. Where it is added changes the result more than ActAdd against CAA did.

# %% tags=["numbers"]
at_last = "the prompt's last token"
claim("at the last token", place_effect[at_last].mean(), text=0.09, within=0.15)
claim("its interval, low", place_range[at_last][0], text=-0.10, within=0.15)
claim("its interval, high", place_range[at_last][1], text=0.29, within=0.15)
claim("at the text alone", place_effect["the text alone"].mean(), text=0.42, within=0.15)
claim("at all but BOS", place_effect["all but BOS"].mean(), text=0.57, within=0.15)
assert 0.85 < place_cost[at_last] < 1.2
assert (
    place_effect["all but BOS"].mean() - place_effect[at_last].mean()
    > (effect["sentiment", "CAA"] - effect["sentiment", "ActAdd"]).mean()
)

# %% [markdown]
# ## 10. Try it yourself
#
# Choose a concept, a layer, a dose and an opening; steered and unsteered run as one batch of two, in a few seconds. Try a negative dose. Try layer 2,
# and layer 28. Find the dose at which the text falls apart.


# %%
def side_by_side(concept: str, layer: int, dose: float, opening: str) -> tuple[str, str]:
    """30 tokens after an opening, without and with steering."""
    vector = at_dose(direction(concept, "CAA", layer), dose, norm=norm_at(layer))
    change = torch.stack([torch.zeros_like(vector), vector])[:, None]
    rows = model.to_tokens(opening).repeat(2, 1)
    with steer(model, change, layer=layer, positions=slice(1, None)):
        both = model.tokenizer.batch_decode(sample(model, rows, n_tokens=30, temperature=0))
    return opening + both[0], opening + both[1]


def norm_at(layer: int) -> float:
    """The typical norm at a layer, measured when first asked for."""
    if layer not in norms:
        norms[layer] = typical_norm(model, to_choose, layer=layer)
    return norms[layer]


def panel():
    """Four controls and the two texts; it needs a notebook to do anything."""
    import html

    import ipywidgets

    options = {"continuous_update": False}
    controls = {
        "concept": ipywidgets.Dropdown(options=concepts.CONCEPTS, description="concept"),
        "layer": ipywidgets.IntSlider(LAYER, 1, 29, description="layer", **options),
        "dose": ipywidgets.FloatSlider(
            DOSE, min=-1, max=1, step=0.05, description="dose", **options
        ),
        "opening": ipywidgets.Text(to_choose[0], description="opening", **options),
    }
    shown = ipywidgets.HTML()

    def update(_=None) -> None:
        texts = side_by_side(**{name: control.value for name, control in controls.items()})
        shown.value = "".join(
            f"<p><b>{name}</b><br>{html.escape(text)}</p>"
            for name, text in zip(("unsteered", "steered"), texts, strict=True)
        )

    for control in controls.values():
        control.observe(update, names="value")
    update()
    return ipywidgets.VBox([*controls.values(), shown])


panel()

# %% [markdown]
# ## What you found

# %%
ELSEWHERE = {
    "prompt": "best of the methods compared (AxBench, Gemma-2-2B and 9B)",
    "CAA": "difference of means: below prompting (AxBench)",
    "ActAdd": "one pair can steer (Turner et al., GPT-2-XL and larger)",
    "probe": "not compared here",
}
plots.table(
    [
        (
            method,
            *(
                f"{effect[c, method].mean():+.2f} (x{cost_factor[c, method]:.1f})"
                for c in concepts.CONCEPTS
            ),
            f"{overall['random'].mean():+.2f} (x{overall_cost['random']:.1f}) on average"
            if method != "prompt"
            else "",
            ELSEWHERE[method],
        )
        for method in METHODS
    ],
    columns=["change of score (perplexity)", *concepts.CONCEPTS]
    + ["control: random, same length", "elsewhere (other models, not measured here)"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The layer and dose were chosen with CAA vectors, and the probe and ActAdd were given the same. How would you make the comparison fairer to them? What would it cost?
# 2. The prompted text was charged for its surprise given the *bare* opening. Is that fair? What would a reader of the text say?
# 3. The classifiers learned from text that the model wrote when prompted. In what way may that favour the prompt?
# 4. A vector is added at 26 positions. Is a dose at one position the same "amount" as a dose at all?
#
# ## Common mistakes
#
# - A steering result without a random vector *of equal norm*. Any push changes the text.
# - Choosing layer, dose and the prettiest sample on the same prompts that you report.
# - Perplexity under the *steered* model: it finds its own text likely, whatever it is.
# - A hook that counts positions from the start of what runs *now*. With a cache, that is one token.
# - Perplexity alone. A loop has a low one.
#
# ## Where this breaks
#
# One model of 135 million parameters, three concepts, 24 openings, 20 tokens, one sample of each. VADER counts words with rules; it does not read. The
# classifiers see letters. Nobody read the texts blind. And a change of the score says nothing about *how* the model
# came to it: a vector that makes sea words likely need not be what the model itself uses to write about the sea.
#
# ## Further reading
#
# - Turner et al. (2023), *Steering Language Models With Activation Engineering* (ActAdd), arXiv 2308.10248
# - Rimsky et al. (2023), *Steering Llama 2 via Contrastive Activation Addition*, arXiv 2312.06681
# - Wu et al. (2025), *AxBench: Steering LLMs? Even Simple Baselines Outperform Sparse Autoencoders*, arXiv 2501.17148
# - Li et al. (2023), *Inference-Time Intervention*, arXiv 2306.03341: directions from probes, at heads
# - Zou et al. (2023), *Representation Engineering*, arXiv 2310.01405
#
# **Next:** 08 · The emotion circle

# %%
progress.show("07")
