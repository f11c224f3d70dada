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
# **Runs** in about three minutes on a laptop's processor.

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
# A strong push always changes the text, and a broken text can still score well on the concept. So each effect in this lesson has its cost beside it.
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
held_out_text = {c: f"{accuracy:.2f}" for c, accuracy in held_out_accuracy.items()}
plots.table(
    [
        (c, held_out_text.get(c, "(no training)"), f"{right.mean():.2f}")
        for c, right in on_pairs.items()
    ],
    columns=["instrument", "right on held-out subjects", "right half of a pair higher"],
)

# %% [markdown]
# On subjects it was not trained on, the classifier of formality is right about **95%** of the texts, that of the sea about **80%**. (Asked for a story with
# a lifeboat in it, the model sometimes forgets the lifeboat; the label stays.) All three instruments put the right half of a pair higher in **94%** of the pairs or more.
#
# So these are usable, and noisy: trust an average over many texts more than any single score.

# %% tags=["numbers"]
claim("formality, held out, %", 100 * held_out_accuracy["formality"], text=95, within=2)
claim("sea, held out, %", 100 * held_out_accuracy["sea"], text=80, within=3)
lowest = min(each.mean() for each in on_pairs.values())
claim("right half of a pair higher, lowest, %", 100 * lowest, text=94, within=2)

# %% [markdown]
# ### The gate: can the model do it when asked?
#
# If the model cannot write in a formal style at all, a vector that fails would tell us nothing. So ask. The task in the whole lesson is to continue neutral
# **openings** of six tokens. Eight of them are for choosing, others for testing.
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
to_choose, to_test = concepts.openings(part="choose"), concepts.openings(part="test")[:16]


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
gate, asked_texts = {}, {}
for name, form in FORMS.items():
    for concept, wanted in WANTED.items():
        rows = to_rows(to_choose, before=form.format(wanted))
        new = sample(model, rows, n_tokens=N_TOKENS)
        gate[concept, name] = change_of_score(concept, new, plain_short)
        if name == "a request":
            asked_texts[concept] = new
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
# (A bootstrap over eight openings is rough, and rather too narrow.)

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
# - **One pair**, the idea of ActAdd (activation addition): the difference between the two halves of a single pair. (The paper's ActAdd takes it token by token, and adds it at
#   the first positions of the prompt. Here it is a mean over each sentence, added everywhere, as with the others.)
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
    if method.startswith("pair"):  # one pair, as in ActAdd
        return (yes - no)[int(method.split()[1])]
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

norms = {layer: typical_norm(model, to_choose, layer=layer) for layer in (5, 15, 25)}
plots.table(
    [
        (
            layer,
            f"{norm:.0f}",
            *(f"{direction(c, 'CAA', layer).norm() / norm:.2f}" for c in concepts.CONCEPTS),
        )
        for layer, norm in norms.items()
    ],
    columns=["layer", "typical norm"]
    + [f"dose of the raw CAA vector, {c}" for c in concepts.CONCEPTS],
)

# %% [markdown]
# At layer 15 the residual stream is about **163** long. The raw CAA vectors have a dose of only **0.12**, **0.19** and **0.09** there: what tells formal from casual is a small
# part of what a token carries. (Papers that steer "with coefficient 10" mean ten of *these*, whose length differs from concept to concept. Hence the dose.)
#
# CAA and the probe saw the same vectors, and yet their directions differ: the cosines at layer 15 are **0.64**, **0.53** and **0.56**. Two CAA vectors from one half of the pairs each
# agree better: **0.89**, **0.79**, **0.82**. So chance in the pairs is not the whole difference. The mean difference
# follows where the data lie; a probe may also avoid directions in which they vary anyway.

# %% tags=["numbers"]
at_15 = {m: [direction(c, m, 15) for c in concepts.CONCEPTS] for m in ("CAA", "probe")}
raw_dose = [vector.norm() / norms[15] for vector in at_15["CAA"]]
cosine = [torch.cosine_similarity(a, b, dim=0) for a, b in zip(*at_15.values(), strict=True)]
differences = [yes[15] - no[15] for yes, no in halves.values()]
split_half = [torch.cosine_similarity(d[::2].mean(0), d[1::2].mean(0), dim=0) for d in differences]
claim("typical norm at layer 15", norms[15], text=163, within=3)
claim("raw dose, sentiment", raw_dose[0], text=0.12, within=0.01)
claim("raw dose, formality", raw_dose[1], text=0.19, within=0.01)
claim("raw dose, sea", raw_dose[2], text=0.09, within=0.01)
claim("cosine of CAA and probe, sentiment", cosine[0], text=0.64, within=0.03)
claim("cosine of CAA and probe, formality", cosine[1], text=0.53, within=0.03)
claim("cosine of CAA and probe, sea", cosine[2], text=0.56, within=0.03)
claim("halves of the pairs, sentiment", split_half[0], text=0.89, within=0.03)
claim("halves of the pairs, formality", split_half[1], text=0.79, within=0.03)
claim("halves of the pairs, sea", split_half[2], text=0.82, within=0.03)

# %% [markdown]
# ## 4. Writing under a push
#
# A model that writes keeps keys and values of what it has read, the **key-value cache**, and runs one new token at a time. So a hook on the residual
# stream sees the whole prompt once, and after that a single position at each step. A hook that steers "positions 1 and later" must know how
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
# The course's `steer` does that for you, at any layer, while its `with` block lasts, and `sample` uses the cache. Test both against your hook (in the library's version) and a loop
# with no cache: it runs the whole text again for each new token, and always takes the likeliest.

# %%
from utils.contrast import add_from
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
assert not torch.equal(cached, sample(model, rows, n_tokens=8, temperature=0))
print("unsteered:", to_choose[0] + model.tokenizer.decode(plain_short[0]))
print("steered:  ", to_choose[0] + model.tokenizer.decode(cached[0]))

# %% [markdown]
# The two write the same tokens, and not those of the unsteered model.
#
# ## 5. What it costs
#
# Three measures, because each can be fooled.
#
# - **Perplexity under the unsteered model.** Let the *unsteered* model read the steered text: how surprised is it? The mean
#   loss of a token, in nats, exponentiated. We report it over that of the unsteered text: a factor of `2` means that each token is on average
#   twice as unlikely. Also for a prompted text the model reads the *bare opening*, so that all methods are measured alike.
# - **Repetition.** A text that loops has a *low* perplexity (you will see). So count: the share of 2-grams and 3-grams (two or three
#   tokens in a row) that had occurred before.
# - **The zlib ratio**: compressed size over size. Repetition of any kind compresses.
#
# | called | measured on | unit |
# |---|---|---|
# | effect on pairs (section 6) | given sentences | nats a token |
# | change of score (from section 7) | text that is sampled | score, from `-1` to `1` |
# | one-token cost (section 6) | given sentences | factor |
# | perplexity (from section 7) | text that is sampled | factor over unsteered text |
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

# %%
from utils.generation import repetition, token_losses, zlib_ratio

loop = model.to_tokens(" the sea" * 10, prepend_bos=False)
loop_loss, plain_loss = (
    token_losses(model, to_rows(to_choose)[: len(new)], new).mean(1) for new in (loop, plain_short)
)
print(f"perplexity: a loop {loop_loss.mean().exp():.1f}, unsteered {plain_loss.mean().exp():.1f}")
print("2-grams repeated:", *(f"{repetition(t, n=2).mean():.2f}" for t in (loop, plain_short)))
assert loop_loss.mean() < 0.95 * plain_loss.mean() and repetition(loop, n=2) > 0.8

# %% [markdown]
# "the sea" ten times is less perplexing than the model's own text, and its repetition gives it away.
#
# ## 6. Which layer, which dose? The cheap way
#
# Sampling is slow and noisy. A single forward pass tells a good deal. Take pairs that were *not* used for the vectors: six of the 18 to choose on, six
# others to compare on (to save time). Compare the log probabilities of their two sentences:
#
# - **effect on pairs**: how much steering moves (log probability of "with") - (log probability of "without"), a token, in nats;
# - **one-token cost**: by what factor *one* token drawn from the steered model is more surprising to the unsteered one than
#   its own. (Computed over the whole vocabulary; nothing is drawn.)
#
# **The rule, before you look:** one layer and one dose for all three concepts. Of those with a cost of at most `2` for every concept, take the one
# with the largest mean effect. That serves CAA, whose vectors are used here; the others will have to live with it.
#
# *Predict first:* a rule of thumb that you may meet is one to three times the typical norm. Here?

# %%
LAYERS, DOSES = [5, 15, 25], [0.3, 0.45, 1.0]
pairs = {
    (part, c): concepts.pairs(c, part="test")[first::3]
    for first, part in enumerate(["choose", "compare"])
    for c in concepts.CONCEPTS
}
plain = {key: contrast.read_pairs(model, each) for key, each in pairs.items()}


def effect_and_cost(part: str, concept: str, vector: torch.Tensor, layer: int) -> tuple:
    """What a vector does to held-out pairs: nats a token, and the cost of one token."""
    with steer(model, vector, layer=layer, positions=slice(1, None)):
        steered = contrast.read_pairs(model, pairs[part, concept])
    effect = (steered.preference - plain[part, concept].preference).mean().item()
    return effect, contrast.one_token_cost(steered, plain[part, concept])


def caa_at(concept: str, layer: int, dose: float) -> tuple:
    """Effect and cost of a CAA vector on the pairs for choosing."""
    vector = at_dose(direction(concept, "CAA", layer), dose, norm=norms[layer])
    return effect_and_cost("choose", concept, vector, layer)


swept = torch.tensor(
    [[[caa_at(c, layer, dose) for dose in DOSES] for layer in LAYERS] for c in concepts.CONCEPTS]
)
mean_effect, worst_cost = swept[..., 0].mean(0), swept[..., 1].amax(0)
best = mean_effect.masked_fill(worst_cost > 2, -torch.inf).argmax().item()
LAYER, DOSE = LAYERS[best // len(DOSES)], DOSES[best % len(DOSES)]
plots.matrix_heatmap(
    mean_effect,
    rows=[f"layer {layer}" for layer in LAYERS],
    columns=[f"dose {dose}" for dose in DOSES],
    title="The late layer moves the pairs most",
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
# The rule takes layer **25** and dose **0.3**: a mean effect of **1.1** nats a token, at a cost of at most **1.5**. Both are an edge of a coarse grid: a later layer may be better still (there are 30; close to the end a vector can push words up
# directly), and smaller doses cost less.
#
# And the rule of thumb? At dose `1`, for the worst concept, one token is **19** times as surprising or worse, at each of these layers. In this model, by this measure of length, a good
# dose is a third of the typical norm and not one to three times it. At layer 15 the dose of `1` even has *less* effect than that of `0.45`.
#
# Now the other vectors, all of this length and at this layer, on the other six pairs. Three single pairs, every tenth of the file. Two controls, three draws each: random directions, and CAA with **shuffled labels** (half
# of the pairs turned round, drawn at random; what the pairs share then cancels exactly, so what is left is how they differ).

# %%
SORTS = ["CAA", "probe", *(f"pair {i}" for i in range(0, 30, 10))]
SORTS += [f"shuffled {i}" for i in range(3)]
vectors = {
    (c, sort): at_dose(direction(c, sort, LAYER), DOSE, norm=norms[LAYER])
    for c in concepts.CONCEPTS
    for sort in SORTS
}
strays = random_directions(3, vectors["sea", "CAA"], seed=0)
vectors |= {(c, f"random {i}"): stray for c in concepts.CONCEPTS for i, stray in enumerate(strays)}
forced = {(c, sort): effect_and_cost("compare", c, v, LAYER) for (c, sort), v in vectors.items()}


def found(sort: str, concept: str = "") -> torch.Tensor:
    """Effects and costs of all vectors of a sort, for one concept or all, [vector, 2]."""
    keys = [key for key in forced if key[0].startswith(concept) and key[1].startswith(sort)]
    return torch.tensor([forced[key] for key in keys])


def shown(sort: str, concept: str) -> str:
    """Effect and cost of one vector, or the range of both."""
    low, high = found(sort, concept).amin(0), found(sort, concept).amax(0)
    if sort in ("CAA", "probe"):
        return f"{low[0]:+.2f} (x{low[1]:.2f})"
    return f"{low[0]:+.2f} to {high[0]:+.2f} (x{low[1]:.2f} to x{high[1]:.2f})"


sorts = ["CAA", "probe", "pair", "shuffled", "random"]
plots.table(
    [(c, *(shown(sort, c) for sort in sorts)) for c in concepts.CONCEPTS],
    columns=["effect (cost)", "CAA", "probe", "three pairs", "three shuffled", "three random"],
)

# %% [markdown]
# CAA moves each concept by **0.66** nats or more. The three random vectors, each read on all three concepts, give **-0.20** to **0.10**, the shuffled ones **-0.50** to **-0.15**: they move the
# pairs somewhat, but none comes near CAA in CAA's direction. So the direction matters, and not the push alone.
# One pair is a lottery: from **0.37** to **0.97** of CAA's effect on the same concept. A lucky one looks as good as the mean over 30.
#
# The costs: CAA **1.3** to **1.7**, random vectors **1.3** to **1.8**, but shuffled ones up to **3.4** and single pairs up to **3.0**. A random vector of this length costs about as much as CAA.
# A shuffled or single-pair vector may cost up to twice as much. Length is not the whole cost.

# %% tags=["numbers"]
claim("layer", LAYER, text=25, within=0)
claim("dose", DOSE, text=0.3, within=0)
claim("mean effect there, nats", mean_effect.flatten()[best], text=1.1, within=0.1)
claim("worst cost there", worst_cost.flatten()[best], text=1.5, within=0.1)
claim("lowest of the worst costs at dose 1", worst_cost[:, -1].min(), text=19, within=2)
assert mean_effect[LAYERS.index(15), -1] < 0.8 * mean_effect[LAYERS.index(15), -2]
caa, one_pair, shuffled, random_ones = map(found, ("CAA", "pair", "shuffled", "random"))
share = torch.cat([found("pair", c)[:, 0] / forced[c, "CAA"][0] for c in concepts.CONCEPTS])
claim("smallest effect of CAA, nats", caa[:, 0].min(), text=0.66, within=0.08)
claim("random, lowest", random_ones[:, 0].min(), text=-0.20, within=0.08)
claim("random, highest", random_ones[:, 0].max(), text=0.10, within=0.08)
claim("shuffled, lowest", shuffled[:, 0].min(), text=-0.50, within=0.08)
claim("shuffled, highest", shuffled[:, 0].max(), text=-0.15, within=0.08)
claim("one pair, smallest share of CAA's effect", share.min(), text=0.37, within=0.05)
claim("one pair, largest share of CAA's effect", share.max(), text=0.97, within=0.05)
claim("cost, CAA, lowest", caa[:, 1].min(), text=1.3, within=0.1)
claim("cost, CAA, highest", caa[:, 1].max(), text=1.7, within=0.1)
claim("cost, random, lowest", random_ones[:, 1].min(), text=1.3, within=0.1)
claim("cost, random, highest", random_ones[:, 1].max(), text=1.8, within=0.1)
claim("cost, shuffled, highest", shuffled[:, 1].max(), text=3.4, within=0.3)
claim("cost, one pair, highest", one_pair[:, 1].max(), text=3.0, within=0.3)
assert max(shuffled[:, 0].max(), random_ones[:, 0].max()) < 0.5 * caa[:, 0].min()
assert min(shuffled[:, 1].max(), one_pair[:, 1].max()) > 1.2 * caa[:, 1].max()
assert 0.8 < random_ones[:, 1].mean() / caa[:, 1].mean() < 1.25

# %% [markdown]
# ## 7. Dose and response, in text that the model writes
#
# Now sample, on the eight openings for choosing, at layer 25. The doses of each concept run as one batch: `steer` takes a change for each row. The
# control is one random direction, of the same length, scored on each concept. The request of section 1 is in the first row.
#
# *Predict first:* as the dose grows, does the effect keep growing?

# %%
CURVE = [0.1, 0.3, 0.7]


def dose_response(direction: torch.Tensor) -> dict[float, torch.Tensor]:
    """Texts after the eight openings at each dose, each [opening, token]."""
    doses = torch.stack([at_dose(direction, dose, norm=norms[LAYER]) for dose in CURVE])
    doses = doses.repeat_interleave(len(to_choose), 0)
    with steer(model, doses[:, None], layer=LAYER, positions=slice(1, None)):
        new = sample(model, to_rows(to_choose).repeat(len(CURVE), 1), n_tokens=N_TOKENS)
    return dict(zip(CURVE, new.split(len(to_choose)), strict=True))


curves = {c: dose_response(direction(c, "CAA", LAYER)) for c in concepts.CONCEPTS}
at_random = dose_response(strays[0])
tried = {("request", ""): asked_texts}
tried |= {("CAA", dose): {c: curves[c][dose] for c in concepts.CONCEPTS} for dose in CURVE}
tried |= {("random", dose): dict.fromkeys(concepts.CONCEPTS, at_random[dose]) for dose in CURVE}


def summary(texts: dict[str, torch.Tensor]) -> dict:
    """Change of score by concept, its mean and interval, and what the texts cost."""
    change = {c: change_of_score(c, new, plain_short) for c, new in texts.items()}
    mean = torch.stack(list(change.values())).mean(0)
    new = torch.cat(list({id(each): each for each in texts.values()}.values()))
    n = len(new) // len(to_choose)
    loss = token_losses(model, to_rows(to_choose).repeat(n, 1), new).mean(1)
    return {
        "change": {c: each.mean().item() for c, each in change.items()},
        "mean": mean.mean().item(),
        "range": probes.bootstrap(mean),
        "perplexity": (loss - plain_loss.repeat(n)).mean().exp().item(),
        "2-grams": repetition(new, n=2).mean().item(),
        "zlib": zlib_ratio(model.tokenizer.batch_decode(new)).mean().item(),
    }


curve = {key: summary(texts) for key, texts in tried.items()}
plots.table(
    [
        (
            f"{name} {dose}",
            *(f"{each['change'][c]:+.2f}" for c in concepts.CONCEPTS),
            "{:+.2f} ({:+.2f} to {:+.2f})".format(each["mean"], *each["range"]),
            f"x{each['perplexity']:.1f}",
            f"{each['2-grams']:.2f}",
            f"{each['zlib']:.2f}",
        )
        for (name, dose), each in curve.items()
    ],
    columns=["change of score, dose", *concepts.CONCEPTS, "mean (95% interval, 8 openings)"]
    + ["perplexity", "2-grams repeated", "zlib ratio"],
)

# %% [markdown]
# From dose `0.3` to `0.7` the mean change goes from **0.58** (**0.40** to **0.74**) to **0.74** (**0.51** to **0.93**), while the perplexity goes from **1.7** times that of unsteered text to **8.0** times. Push harder, and you buy
# damage. (The score has a ceiling of `1`, so part of the levelling off may be the instrument's.) Repetition rises too: **14%** of the 2-grams are repeats, and the texts compress better.
#
# The request reaches **0.61** on these openings, at **1.1** times the perplexity: about the effect of CAA at dose `0.3`, at a lower cost. At dose `0.1` CAA has less effect than the request, and costs no less.
#
# The random direction costs at least about as much as CAA at each dose. Its mean change is near 0, but on one concept it goes up to **0.25**: with eight openings, that is the size of accident to expect.
# On the sea no dose does as well as the request. With sentiment and formality the score stays high while the text falls apart. Read a few: would you
# accept the last of each pair, whatever its score?

# %%
for c in concepts.CONCEPTS:
    for dose in (0.3, 0.7):
        print(f"{c}, dose {dose}: {to_choose[0]}{model.tokenizer.decode(curves[c][dose][0])!r}")

# %% tags=["numbers"]
at_03, at_07, by_request = curve["CAA", 0.3], curve["CAA", 0.7], curve["request", ""]
randoms = [curve["random", dose] for dose in CURVE]
claim("change at dose 0.3", at_03["mean"], text=0.58, within=0.15)
claim("its interval, low", at_03["range"][0], text=0.40, within=0.15)
claim("its interval, high", at_03["range"][1], text=0.74, within=0.15)
claim("change at dose 0.7", at_07["mean"], text=0.74, within=0.15)
claim("its interval, low", at_07["range"][0], text=0.51, within=0.15)
claim("its interval, high", at_07["range"][1], text=0.93, within=0.15)
claim("perplexity at dose 0.3", at_03["perplexity"], text=1.7, within=0.4)
claim("perplexity at dose 0.7", at_07["perplexity"], text=8.0, within=2)
claim("the request", by_request["mean"], text=0.61, within=0.15)
claim("perplexity of the request", by_request["perplexity"], text=1.1, within=0.3)
largest = max((v for each in randoms for v in each["change"].values()), key=abs)
claim("largest change by a random direction", abs(largest), text=0.25, within=0.2)
assert abs(at_03["mean"] - by_request["mean"]) < 0.2
assert by_request["perplexity"] < 0.85 * at_03["perplexity"]
assert curve["CAA", 0.1]["mean"] < by_request["mean"] - 0.05
assert curve["CAA", 0.1]["perplexity"] > 0.95 * by_request["perplexity"]
assert all(curve["random", d]["perplexity"] > 0.8 * curve["CAA", d]["perplexity"] for d in CURVE)
claim("repeated 2-grams at dose 0.7, %", 100 * at_07["2-grams"], text=14, within=8)
assert at_07["2-grams"] > 2 * at_03["2-grams"] and at_07["zlib"] < at_03["zlib"]
assert max(curve["CAA", d]["change"]["sea"] for d in CURVE) < by_request["change"]["sea"]
assert all(abs(each["mean"]) < 0.2 for each in randoms)

# %% [markdown]
# ## 8. The comparison, on fresh openings
#
# Now 16 test openings, at the layer and dose that were chosen elsewhere: CAA against the request. **Three samples of each**, from three seeds: one sample can mislead, as it misled an early version of this lesson. The
# interval is a bootstrap over openings, after a mean over the three samples.
#
# The control is three single random directions, as CAA is a single direction, each with one sample of every opening. Sampling is dear, so the single pairs and
# the probe stay with section 6, and the perplexity is that of the first sample of eight openings.
#
# (Full disclosure: an early version tried the bare line on test openings. It did little, and that is why the request was written too; the choice between the two was made on the other eight. And
# texts steered at layers 9, 15 and 21 were sampled on those eight; sentiment and formality did well at all three.)
#
# *Predict first:* which of the two has the larger effect? And which costs more?

# %%
bare = to_rows(to_test)


def texts(
    rows: torch.Tensor, change: torch.Tensor | None = None, *, seeds=range(3), at=slice(1, None)
) -> torch.Tensor:
    """What the model writes after the rows, [seed, opening, token]."""
    change = torch.zeros(cfg.d_model) if change is None else change
    with steer(model, change, layer=LAYER, positions=at):
        return torch.stack([sample(model, rows, n_tokens=N_TOKENS, seed=seed) for seed in seeds])


def change_by_opening(concept: str, new: torch.Tensor, plain: torch.Tensor) -> torch.Tensor:
    """The change of the score, a mean over seeds, [opening]."""
    change = change_of_score(concept, new.flatten(0, 1), plain.flatten(0, 1))
    return change.view(len(new), -1).mean(0)


def perplexity_factor(new: torch.Tensor) -> float:
    """The perplexity of the first sample of eight openings over that of unsteered text."""
    new_loss, plain_loss = (
        token_losses(model, bare[:8], each[0, :8]).mean() for each in (new, unsteered)
    )
    return (new_loss - plain_loss).exp().item()


unsteered = texts(bare)
written = {(c, "CAA"): texts(bare, vectors[c, "CAA"]) for c in concepts.CONCEPTS}
for c, wanted in WANTED.items():
    written[c, "request"] = texts(to_rows(to_test, before=FORMS["a request"].format(wanted)))
change = {key: change_by_opening(key[0], new, unsteered) for key, new in written.items()}
cost = {key: perplexity_factor(new) for key, new in written.items()}
for i, stray in enumerate(strays):
    new = texts(bare, stray, seeds=[i])
    for c in concepts.CONCEPTS:
        change[c, f"random {i}"] = change_by_opening(c, new, unsteered[i : i + 1])


def with_range(values: torch.Tensor) -> str:
    """A mean and its interval."""
    return "{:+.2f} ({:+.2f} to {:+.2f})".format(values.mean(), *probes.bootstrap(values))


HOW = ["CAA", "request", "random 0", "random 1", "random 2"]
overall = {how: torch.stack([change[c, how] for c in concepts.CONCEPTS]).mean(0) for how in HOW}
less = {c: change[c, "CAA"] - change[c, "request"] for c in concepts.CONCEPTS}
less["mean of the three"] = overall["CAA"] - overall["request"]
by_concept = {c: {how: change[c, how] for how in HOW} for c in concepts.CONCEPTS}
plots.table(
    [
        (c, with_range(each["CAA"]), with_range(each["request"]), with_range(less[c]))
        + (", ".join(f"{each[how].mean():+.2f}" for how in HOW[2:]),)
        for c, each in (by_concept | {"mean of the three": overall}).items()
    ],
    columns=["change of score", "CAA", "request", "CAA less request", "three random directions"],
)

# %%
shown_as = {f"{how},<br>{c}": change[c, how] for c in concepts.CONCEPTS for how in HOW[:2]}
strays_of = {c: [change[c, how].mean().item() for how in HOW[2:]] for c in concepts.CONCEPTS}
plots.bars(
    {name: each.mean().item() for name, each in shown_as.items()},
    low={name: probes.bootstrap(each)[0] for name, each in shown_as.items()},
    high={name: probes.bootstrap(each)[1] for name, each in shown_as.items()},
    dots={f"CAA,<br>{c}": each for c, each in strays_of.items()},
    chance=0,
    title="CAA moves two concepts further, the request moves the third further",
    y="change of score",
)

# %% [markdown]
# (Small circles: the random directions.) On average CAA changes the score by **0.50** (interval **0.41** to **0.57**) and the request by **0.36** (**0.27** to **0.45**): a difference of **0.13** (**0.05** to **0.22**). But the average hides the
# point: **which is ahead depends on the concept**. CAA is ahead on sentiment, by **0.21** (**0.06** to **0.38**), and on formality, by **0.35** (**0.23** to **0.47**). On the sea it is behind, by **0.17** (**0.06** to **0.26**). Another choice of concepts would
# give another average. And the openings are 16, of one kind: the interval holds for more openings like these, not for other tasks.
#
# The random directions change a score by **0.20** at most, less than CAA on each concept. Steering is paid for: CAA's text is **1.7** to **1.9** times as perplexing as unsteered text, the requested text **1.0** to **1.5**.
#
# Remember that the layer and the dose were chosen with CAA's vectors, and that
# the classifier of the sea learned from text that the model wrote when *asked*, which may favour the request.
#
# **Against the literature.** AxBench compared many methods on models of 2 and 9 billion parameters, over 500 concepts, with a language model as the judge: prompting came out first. Here it is first in cost,
# and on one concept of three. A model of 135 million parameters follows instructions badly, and an opening like "It all started when my cousin" leaves the request little room. Both may make the rival weak. This is one small
# model and three concepts: it does not overturn AxBench.

# %% tags=["numbers"]
ends = {c: probes.bootstrap(each) for c, each in (less | overall).items()}
claim("CAA", overall["CAA"].mean(), text=0.50, within=0.1)
claim("CAA, low", ends["CAA"][0], text=0.41, within=0.1)
claim("CAA, high", ends["CAA"][1], text=0.57, within=0.1)
claim("request", overall["request"].mean(), text=0.36, within=0.1)
claim("request, low", ends["request"][0], text=0.27, within=0.1)
claim("request, high", ends["request"][1], text=0.45, within=0.1)
claim("CAA less request", less["mean of the three"].mean(), text=0.13, within=0.09)
claim("its interval, low", ends["mean of the three"][0], text=0.05, within=0.09)
claim("its interval, high", ends["mean of the three"][1], text=0.22, within=0.09)
claim("sentiment", less["sentiment"].mean(), text=0.21, within=0.15)
claim("sentiment, low", ends["sentiment"][0], text=0.06, within=0.15)
claim("sentiment, high", ends["sentiment"][1], text=0.38, within=0.15)
claim("formality", less["formality"].mean(), text=0.35, within=0.12)
claim("formality, low", ends["formality"][0], text=0.23, within=0.12)
claim("formality, high", ends["formality"][1], text=0.47, within=0.12)
claim("sea, request ahead", -less["sea"].mean(), text=0.17, within=0.12)
claim("sea, low", -ends["sea"][1], text=0.06, within=0.12)
claim("sea, high", -ends["sea"][0], text=0.26, within=0.12)
strongest = {c: max(map(abs, each)) for c, each in strays_of.items()}
claim("largest change by a random direction", max(strongest.values()), text=0.20, within=0.12)
assert all(strongest[c] < change[c, "CAA"].mean() for c in concepts.CONCEPTS)
assert min(less[c].mean() for c in ("sentiment", "formality")) > 0 > less["sea"].mean()
caa_costs, request_costs = ([cost[c, how] for c in concepts.CONCEPTS] for how in HOW[:2])
claim("perplexity, CAA, lowest", min(caa_costs), text=1.7, within=0.3)
claim("perplexity, CAA, highest", max(caa_costs), text=1.9, within=0.4)
claim("perplexity, request, lowest", min(request_costs), text=1.0, within=0.2)
claim("perplexity, request, highest", max(request_costs), text=1.5, within=0.4)
assert all(r < c for r, c in zip(request_costs, caa_costs, strict=True))

# %% [markdown]
# ## 9. Where to add it
#
# So far the vector was added at every position but BOS. Two other habits: only at the **last token of the prompt**, and only while the
# model **writes**. (Two samples of each opening.) In the second the prompt's last token is not steered either, so the first new token is the model's own.
#
# *Predict first:* how much is left if one position in 25 is steered? (Six of the opening and 19 of the text; the last new token is never run.)

# %%
LAST = bare.shape[1] - 1  # BOS and six tokens: the prompt's last token is at position 6
PLACES = {"the prompt's last token": slice(LAST, LAST + 1), "the text alone": slice(LAST + 1, None)}
place_change = {}
for name, at in PLACES.items():
    new = texts(bare, vectors["sentiment", "CAA"], seeds=range(2), at=at)
    place_change[name] = change_by_opening("sentiment", new, unsteered[:2])
everywhere = change_by_opening("sentiment", written["sentiment", "CAA"][:2], unsteered[:2])
plots.table(
    [(n, with_range(each), with_range(everywhere - each)) for n, each in place_change.items()]
    + [("all but BOS", with_range(everywhere), "")],
    columns=["sentiment, CAA, added at", "change of score", "all but BOS less this"],
)

# %% [markdown]
# At the prompt's last token alone there is no clear effect: **0.10** (interval **-0.01** to **0.22**), so a small one is not excluded. The vector is read by the blocks above at that position, and by later
# tokens through attention, in five layers only; each new token then starts without it. With the text alone the change is **0.48**, with all positions **0.58**. The paired difference of these two is **0.09** (**-0.09** to **0.25**): not
# told apart.
#
# So a recipe that says "add the vector" is incomplete. Where, and at how many positions, changes the result; this experiment does not separate the two.

# %% tags=["numbers"]
at_last, in_text = (place_change[name] for name in PLACES)
last_ends, text_ends = probes.bootstrap(at_last), probes.bootstrap(everywhere - in_text)
claim("at the last token", at_last.mean(), text=0.10, within=0.12)
claim("its interval, low", last_ends[0], text=-0.01, within=0.12)
claim("its interval, high", last_ends[1], text=0.22, within=0.12)
claim("at the text alone", in_text.mean(), text=0.48, within=0.15)
claim("at all but BOS", everywhere.mean(), text=0.58, within=0.15)
claim("all less the text alone", (everywhere - in_text).mean(), text=0.09, within=0.12)
claim("its interval, low", text_ends[0], text=-0.09, within=0.12)
claim("its interval, high", text_ends[1], text=0.25, within=0.12)
assert text_ends[0] < 0.05 < 0.2 < probes.bootstrap(everywhere - at_last)[0]

# %% [markdown]
# ## 10. Try it yourself
#
# Choose a concept, a layer, a dose and an opening, and press the button; steered and unsteered run as one batch of two, in a few seconds. Try a negative dose. Try layer 2,
# and layer 28. Find the dose at which the text falls apart.


# %%
def side_by_side(concept: str, layer: int, dose: float, opening: str) -> tuple[str, str]:
    """30 tokens after an opening, without and with steering."""
    norm = norms.get(layer) or typical_norm(model, to_choose, layer=layer)
    vector = at_dose(direction(concept, "CAA", layer), dose, norm=norm)
    change = torch.stack([torch.zeros_like(vector), vector])[:, None]
    rows = model.to_tokens(opening).repeat(2, 1)
    with steer(model, change, layer=layer, positions=slice(1, None)):
        both = model.tokenizer.batch_decode(sample(model, rows, n_tokens=30, temperature=0))
    return opening + both[0], opening + both[1]


def panel():
    """Four controls, a button and the two texts; it needs a notebook to do anything."""
    import ipywidgets

    def show(**chosen) -> None:
        for name, text in zip(("unsteered", "steered"), side_by_side(**chosen), strict=True):
            print(f"{name}: {text}\n")

    return ipywidgets.interactive(
        show,
        {"manual": True, "manual_name": "write"},
        concept=list(concepts.CONCEPTS),
        layer=ipywidgets.IntSlider(LAYER, 1, 29),
        dose=ipywidgets.FloatSlider(DOSE, min=-1, max=1, step=0.05),
        opening=to_choose[0],
    )


panel()

# %% [markdown]
# ## What you found

# %%
ELSEWHERE = {
    "request": "prompting: best of the methods compared (AxBench, Gemma-2-2B and 9B)",
    "CAA": "difference of means: below prompting (AxBench)",
    "pair": "ActAdd: one pair can steer (Turner et al., GPT-2-XL and larger)",
    "probe": "linear probes: below prompting (AxBench)",
}


def in_text(how: str, concept: str) -> str:
    """Changes of score in section 8: one, or that of each random direction."""
    found = [change[key] for key in change if key[0] == concept and key[1].startswith(how)]
    return ", ".join(f"{each.mean():+.2f}" for each in found)


plots.table(
    [
        (how, *(shown(how, c) if how != "request" else "" for c in concepts.CONCEPTS))
        + (*(in_text(how, c) for c in concepts.CONCEPTS), ELSEWHERE.get(how, "control"))
        for how in ["request", *sorts]
    ],
    columns=["SmolLM2-135M-Instruct"]
    + [f"pairs, {c}: nats (cost)" for c in concepts.CONCEPTS]
    + [f"text, {c}: score" for c in concepts.CONCEPTS]
    + ["elsewhere (other models, not measured here)"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The layer and dose were chosen with CAA vectors, and the probe and the single pairs were given the same. How would you make the comparison fairer to them? What would it cost?
# 2. The prompted text was charged for its surprise given the *bare* opening. Is that fair? What would a reader of the text say?
# 3. The classifiers learned from text that the model wrote when prompted. In what way may that favour the prompt?
# 4. A vector is added at 25 positions. Is a dose at one position the same "amount" as a dose at all?
#
# ## Common mistakes
#
# - A steering result without a random vector *of equal norm*. Any push changes the text.
# - Choosing layer, dose and the prettiest sample on the same prompts that you report.
# - Perplexity under the *steered* model: it finds its own text likely, whatever it is.
# - A hook that counts positions from the start of what runs *now*. With a cache, that is one token.
# - Perplexity alone: a loop has a low one. And one sampling seed: an earlier version of this lesson had one, and its headline did not hold with the next.
#
# ## Where this breaks
#
# One model of 135 million parameters, three concepts, 16 openings, 20 tokens, three samples of each. VADER counts words with rules; it does not read. The
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
