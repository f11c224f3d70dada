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
# # 4.3 · Features of a real model
#
# [![Open lesson 4.3 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.2 · Sparse autoencoders](42_sparse_autoencoders.ipynb) | **Next:** [5.1 · How a reasoning model checks itself](51_self_verification.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. look at any feature of a dictionary on a dashboard, find features by a text, and describe them without asking another model;
# 2. score such descriptions on new text, and hold every score against random directions and against a model that was **never trained**;
# 3. say when a feature is worth more than a probe or a mean difference, and when it is worth less.
#
# **Time** two hours. **Needs** lesson 4.2: TopK autoencoders; 2.1: probes; 3.1: steering and its cost.
# **Runs** in about two and a half minutes on a laptop's processor.

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
import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.features import absorption, dashboards, figures
from data.concepts import task as concepts
from utils import plots
from utils.features import sae as saes
from utils.checks import lesson_43
from utils.lesson import claim
from utils.models import load
from utils.reading.linear import r_squared
from data.chat.task import texts
from data.feature_steering.task import written_texts

model = load()
cfg = model.cfg

# %% [markdown]
# ## 1. A dictionary, and text to read it by
#
# The dictionary is that of lesson 4.2: a TopK autoencoder on what block 15 of SmolLM2 reads, with `4,608` latents, of which at most `32` are active at a token (`data/sae/`). A **latent** is one unit of the autoencoder: a number at each token, how active it is, and a **direction**, its row of the decoder. A **feature** is what people hope a latent stands for. This lesson asks how far that hope goes.
#
# You look at latents through text. Take two piles. The **reading** pile comes from the texts the autoencoder was trained on; it is for finding examples and making up descriptions. The **held-out** pile, answers to requests about subjects that no request of the first pile was about, is for testing them.
#
# First the gate: the dictionary must explain at least `70%` of the variance of held-out vectors, or there is little to look at. A latent's **density** is the share of tokens at which it is active.

# %%
LAYER = 15
FAST = saes.bfloat16_is_faster()  # on some processors it is; the text's numbers allow for both


def harvest(model, rows: list, layer: int = LAYER) -> torch.Tensor:
    """What block `layer` reads at every token, [token, d_model], on the CPU."""
    return saes.harvest(model, rows, layer=layer, bfloat16=FAST)


rows = dashboards.some(texts("train"), 20_000)  # drawn at random
held_rows = dashboards.some(texts("held_out"), 10_000)
piles = reading, held_out = dashboards.corpus(rows), dashboards.corpus(held_rows)  # end to end
x, held_x = harvest(model, rows), harvest(model, held_rows)

sae = saes.load_sae(root / "data" / "sae" / "smollm2")
W_dec = sae.W_dec.detach()  # [latent, d_model], each of length 1
vocabulary = [model.tokenizer.decode([i]) for i in range(cfg.d_vocab)]

board = dashboards.dashboard(model, sae, (x, held_x), piles, vocabulary)
active, held_active, density = board.active, board.held_active, board.active.density
rebuilt, held_rebuilt = (each.rebuilt(W_dec, sae.b_dec.detach()) for each in (active, held_active))
kept = r_squared(held_rebuilt, held_x)
print(f"{len(x):,} tokens to read, {len(held_x):,} held out; variance explained {kept:.2f}")
print(f"density: median {density.median():.4f}, highest {density.max():.2f}")

# %% [markdown]
# On held-out text the dictionary explains **85%** of the variance. The median latent is active at **0.20%** of the tokens. What the rest of the variance holds, no dashboard will show you.

# %% tags=["numbers"]
claim("explained on held-out text, %", 100 * kept, text=85, within=2)
claim("median density, %", 100 * density.median(), text=0.20, within=0.06)
assert kept > 0.7

# %% [markdown]
# ## 2. The dashboard, piece by piece
#
# ### Exercise 1 · top activations (15 minutes, medium)
#
# Where is a latent most active? One text that repeats a word would fill the list by itself. So take one token of each text.


# %% tags=["exercise:utils.features.dashboards.top_examples"]
def top_examples(
    acts: Float[Tensor, " token"], text: Int[Tensor, " token"], n: int
) -> Int[Tensor, " n"]:
    """Positions where a latent is most active, strongest first: at most one token of each text.

    Fewer than `n` where the latent is active in fewer texts.

    Args:
        acts: the latent's activation at each token, none below 0.
        text: the number of the text that each token is in.
    """
    ### BEGIN SOLUTION
    order = acts.argsort(descending=True, stable=True)
    first_of = {}  # text -> its best token, in the order of their activations
    for position in order[acts[order] > 0].tolist():
        first_of.setdefault(int(text[position]), position)
    return torch.tensor(list(first_of.values())[:n], dtype=torch.long)
    ### END SOLUTION


# %% tags=["check"]
top_examples = lesson_43.check_top_examples(top_examples)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Take activations 5, 9, 2 in texts 0, 0, 1. In falling order you meet text 0 (the 9), text 0 again (pass over it), then text 1. So you need a memory of the texts you have had.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `acts.argsort(descending=True)` is the order. Stop counting where the activation is 0, or where you have `n`. Remember a text as a number, `int(text[position])`: to a set or a dictionary, no two tensors are the same.
#
# </details>

# %% [markdown]
# ### Exercise 2 · the effect on the logits (10 minutes, easy)
#
# Lesson 1.3 read a direction through the unembedding: which tokens does it push up? Between the stream's end and the logits stands the final norm, which multiplies each coordinate by a weight. It also divides by the length of the whole stream; leave that out, it is the same for all logits. So the effect of a direction $d$ of length 1 is $(d \odot w)\, W_U$, minus its mean over tokens (what all tokens gain alike changes no probability).


# %% tags=["exercise:utils.features.dashboards.logit_effect"]
def logit_effect(
    direction: Float[Tensor, " d_model"],
    norm_weight: Float[Tensor, " d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> Float[Tensor, " d_vocab"]:
    """What a direction of length 1 adds to each token's logit, minus the mean over tokens.

    On the direct way alone: blocks between the layer and the end are left out, and so is the final
    norm's division. So only compare tokens with each other.

    Args:
        direction: of any length; it is made length 1 first.
        norm_weight: the final norm's weight.
    """
    ### BEGIN SOLUTION
    effect = (direction / direction.norm() * norm_weight) @ W_U
    return effect - effect.mean()
    ### END SOLUTION


# %% tags=["check"]
logit_effect = lesson_43.check_logit_effect(logit_effect)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Try it in two dimensions: direction (3, 4), norm weight (2, 1). At length 1 the direction is (3/5, 4/5); after the weight it is (6/5, 4/5). Each column of `W_U` is then one token's logit.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `norm_weight` has one number for each coordinate of the direction: multiply the two entry by entry.
#
# </details>

# %% [markdown]
# Now the dashboard (`dashboards.Dashboard` puts the pieces together). Two of its lines, the description and its score, are the subject of section 4.
#
# Which latents to show? Papers often show pretty ones. Here **the first three of a random draw** (seed 0) from the latents that are active at 20 tokens of the reading pile or more, and at 10 or more of the held-out one. That draw of 200 is also what the latents' scores in sections 2 to 5 are computed on.


# %%
def card(latent: int, n_examples: int = 6):
    """One latent on a card."""
    return figures.feature_card(*board.card(latent, n_examples))


def search(text: str, n: int = 8) -> list[int]:
    """The latents that are most typical of a text."""
    tokens = model.to_tokens(text, prepend_bos=False)[0].cpu()
    acts = sae.encode(harvest(model, [tokens])).detach()
    rarity = -density.clamp(min=1e-5).log()
    return (acts.mean(0) * rarity).topk(n).indices.tolist()


sample = dashboards.drawn(active, held_active, 200)
figures.stacked([card(latent) for latent in sample[:3].tolist()])

# %% [markdown]
# Read them slowly. Is there one sentence that covers *all* lines of a card?
#
# Now look at some of your own choice: type a number, or a text and press the button: *The ship left the harbour*, a line of code, a recipe. The search offers the latents with the highest mean activation in the text, times the logarithm of 1 / density (as search engines weigh words: what is rare elsewhere counts more). Outside a live notebook you see one card.

# %%
SHIP = "The ship left the harbour."
figures.feature_browser(card, search, n=sae.d_sae, at=search(SHIP)[0], text=SHIP)

# %% [markdown]
# ### Do the logits say what a latent means?
#
# The lines of promoted tokens look like noise on most cards. Here is a measure. Take the tokens that really *follow* those at which the latent is active. Does the latent push them up? And by how much more than another latent of the draw would? The unit is one standard deviation over the vocabulary.
#
# The control has the same measures for `4,608` **random directions** in the dictionary's place, with the same competition (the 32 largest at each token are active): a TopK dictionary before its training.
#
# *Predict first:* does a latent push what follows more than a random direction does?

# %%
random_sae = dashboards.untrained_dictionary(sae, x)
random_board = dashboards.dashboard(model, random_sae, (x, held_x), piles, vocabulary)
random_active, random_held = random_board.active, random_board.held_active
random_sample = dashboards.drawn(random_active, random_held, 200)
scores = {"trained": board.scores(sample), "random directions": random_board.scores(random_sample)}

PUSH, NEAR = LOGITS = "push on what follows (sd)", "cosine to the nearest latent"


def summary(scores: dict) -> dict:
    """(whose, name of the score) -> mean, and the ends of its 95% interval."""
    return {
        (who, name): dashboards.mean_interval(values)
        for who, each in scores.items()
        for name, values in each.items()
    }


found = summary(scores)
for who, name in ((who, name) for name in LOGITS for who in scores):
    print("{}, {}: {:.2f} ({:.2f} to {:.2f})".format(name, who, *found[who, name]))
shaped_near = dashboards.nearest_cosines(dashboards.shaped_directions(x, sae.d_sae), sample).mean()
print(f"{NEAR}, random directions with the stream's covariance: {shaped_near:.2f}")

# %% [markdown]
# A latent pushes what follows **0.27** standard deviations further than another would, a random direction **0.14**. Both are small, and the intervals do not tell the two apart. Half the blocks are still to come at layer 15. On a card, mistrust the logit lines first.
#
# The nearest latent has a cosine of **0.31**, in the random dictionary **0.15**. Do latents come in families? Draw random directions with the covariance of the stream, so that they lie where its vectors lie: they have **0.36**. So this number shows no families.

# %% tags=["numbers"]
claim("push of latents", found["trained", PUSH][0], text=0.27, within=0.15)
claim("push, random", found["random directions", PUSH][0], text=0.14, within=0.15)
claim("nearest, latents", found["trained", NEAR][0], text=0.31, within=0.04)
claim("nearest, random", found["random directions", NEAR][0], text=0.15, within=0.02)
claim("nearest, shaped", shaped_near, text=0.36, within=0.03)
assert found["random directions", PUSH][2] > found["trained", PUSH][1]
assert found["trained", PUSH][0] < 0.6 and shaped_near > found["trained", NEAR][0]

# %% [markdown]
# ## 3. Is it just the token?
#
# The cheapest story about a latent: it looks at the current token and at that alone. How much of its activation does that explain?
#
# ### Exercise 3 · the share that the token explains (20 minutes, medium)
#
# For each token id take the mean activation in the reading pile; that is the guess for the held-out pile. Learnt and tested on one pile, every token that comes once would explain itself perfectly.


# %%
def token_share(
    fit_acts: torch.Tensor, fit_tokens: torch.Tensor, acts: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """1 - squared error of the guess / squared distance from the mean of `acts`, [latent].

    The guess is the mean of `fit_acts` at the same token id, or over all of `fit_acts` where the id
    does not come in `fit_tokens`.

    Args:
        fit_acts: [fit, latent]; fit_tokens: ids, [fit].
        acts: of other texts, [token, latent]; tokens: ids, [token].
    """
    ### BEGIN SOLUTION
    guess = fit_acts.mean(0).repeat(len(tokens), 1)
    for token in tokens.unique():
        same = fit_tokens == token
        if same.any():
            guess[tokens == token] = fit_acts[same].mean(0)
    return 1 - (acts - guess).square().sum(0) / (acts - acts.mean(0)).square().sum(0)
    ### END SOLUTION


# %% tags=["check"]
token_share = lesson_43.check_token_share(token_share)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Three tokens to fit, ids 7, 7, 8 with activations 4, 2, 0: an id 7 elsewhere gets the guess 3, an id 8 gets 0, and an id 9, never seen, gets the overall mean 2.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The guesses have the shape of `acts`. Start with the overall mean in every row, then replace the rows of one id at a time. Sums over tokens are sums over axis 0.
#
# </details>

# %%
acts, held_acts = active.of(sample), held_active.of(sample)  # [token, 200]
random_pair = random_active.of(random_sample), random_held.of(random_sample)
shares = {
    name: token_share(fit, reading.tokens, test, held_out.tokens)
    for name, (fit, test) in {"latents": (acts, held_acts), "random": random_pair}.items()
}
detectors = 100 * (shares["latents"] > 0.5).float()
print({name: round(each.median().item(), 2) for name, each in shares.items()})

# %% [markdown]
# The current token predicts **0.08** of the median latent's variance (random directions: **0.01**). Of **19%** of latents it predicts more than half: call those *token detectors*. That is "at least": the guess comes from 20,000 tokens, in which a rare token has a noisy mean. So in this dictionary most latents seem to need more than the token; a mean per token may miss some.

# %% tags=["numbers"]
claim("median token share, latents", shares["latents"].median(), text=0.08, within=0.05)
claim("token share, random", shares["random"].median(), text=0.01, within=0.05)
claim("token detectors, %", detectors.mean(), text=19, within=7)
assert dashboards.mean_interval(detectors)[2] < 50

# %% [markdown]
# ## 4. A description, and its score, without another model
#
# The usual way: show top activations to a large model, let it write a description, and let another large model predict from the description where the latent is active. That needs a cloud, and the large models know much about language. Here is the smallest version of it, with everything in the open. A description is a sentence of one form:
#
# > active where **this token** (or **the token before**, or **the token after**, or the **pair** of this token and the one before) is one of *these ten*.
#
# Its score on held-out text is the **balanced accuracy**: the mean of two shares, those named among the tokens where the latent is active, and those not named among the others. `0.5` is chance, for a latent however rare.
#
# ### Exercise 4 · what a word is worth as a description (20 minutes, medium)
#
# Which ten tokens? Balanced accuracy tells. Naming one more id wins the share of the active tokens that have it, loses the share of the others that have it, and the score counts each by half. So each id has a **gain**, and the gains of different ids add up.


# %%
def key_gains(fires: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(share of active tokens with a key - share of the others with it) / 2, [n_ids].

    Args:
        fires: bool, [token], where the latent is active.
        key: an id for each token, [token], such as that of the token before; -1 where there is
            none. `n_ids` is the highest id + 1.
    """
    ### BEGIN SOLUTION
    n_ids = int(key.max()) + 1
    on = torch.bincount(key[fires & (key >= 0)], minlength=n_ids)
    off = torch.bincount(key[~fires & (key >= 0)], minlength=n_ids)
    return (on / fires.sum() - off / (~fires).sum()) / 2
    ### END SOLUTION


# %% tags=["check"]
key_gains = lesson_43.check_key_gains(key_gains)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Five tokens with keys 0, 0, 1, 1, -1, active at the first and the third: id 0 has half of the active tokens and a third of the three others, so its gain is (1/2 - 1/3) / 2.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.bincount(ids, minlength=n)` counts each id; count twice. Each count is divided by its own total, tokens without a key included: leave the keys of -1 out of the counts, not out of the totals.
#
# </details>

# %% [markdown]
# `dashboards.score_latents` does this for 200 latents: for each kind the ten ids of largest gain, made on the reading pile, tested on the held-out one. Which kind? The one that does best when half of the reading texts name ids for the other half. (On the texts that named them pairs look best: most pairs come once, and explain themselves.)
#
# *Predict first:* what do the latents score? And the controls, four sorts of direction that nobody trained? Each of the first three is active above a threshold that gives it the density of one latent of the draw:
#
# - **all alike**: drawn from all directions;
# - **shaped**: drawn with the covariance of the stream, so that they lie where its vectors lie;
# - **one vector**: from the mean of the stream to one of its vectors, whatever it is;
# - **competing**: the random dictionary of section 2.

# %%
wanted = density[sample]
controls = {"latents": (acts, held_acts)}
for draw in ("all alike", "shaped", "one vector"):
    controls[draw] = dashboards.matched_directions(x, held_x, wanted, draw=draw)
controls["competing"] = random_pair
described = {
    name: dashboards.score_latents(fit, reading, test, held_out)
    for name, (fit, test) in controls.items()
}
ours = described["latents"]
scored = {name: dashboards.mean_interval(each.detection) for name, each in described.items()}
PANELS = "held-out score", "strongest quarter named (circle: of all)"
plots.intervals(
    {
        PANELS[0]: scored,
        PANELS[1]: {
            name: dashboards.mean_interval(each.strong) for name, each in described.items()
        },
    },
    title="Untrained directions that lie where the stream lies are described as well as latents",
    dots={PANELS[1]: {name: [each.named.mean()] for name, each in described.items()}},
    marks={PANELS[0]: 0.5},
)

# %% [markdown]
# The descriptions score **0.69** (**0.67** to **0.71**) for latents. Directions drawn from all alike get **0.61**. If you stopped there, you would call the latents better. But shaped directions get **0.72**, those to one vector **0.81**, and a dictionary of random directions **0.67**. So the score does not tell that anything was learnt. The stream is full of tokens, and a direction that lies where the stream lies inherits them. *Above chance* is a low bar, and a control is as good as it is hard. (With another latent's description a latent gets **0.50**. That shows only that a description made for something else scores chance.)
#
# Look again at the descriptions on the cards of section 2, too: some lists are fair accounts, others (the second card's) say next to nothing. Pairs were chosen for **1** of the 200 latents; perhaps 20,000 tokens are too few to learn which pairs matter.
#
# And a warning about cards. They show the strongest activations, and of the strongest quarter of a latent's held-out activations its description names **0.55**; of the weakest quarter **0.35**. A card shows the easier part. (For directions to one vector it names **0.71** of the strongest quarter: that, too, needs no training. Of all tokens the descriptions name less than a tenth: the circles.)

# %% tags=["numbers"]
claim("detection, latents", scored["latents"][0], text=0.69, within=0.03)
claim("detection, latents, low end", scored["latents"][1], text=0.67, within=0.03)
claim("detection, latents, high end", scored["latents"][2], text=0.71, within=0.03)
claim("detection, all alike", scored["all alike"][0], text=0.61, within=0.03)
claim("detection, shaped", scored["shaped"][0], text=0.72, within=0.03)
claim("detection, one vector", scored["one vector"][0], text=0.81, within=0.03)
claim("detection, competing", scored["competing"][0], text=0.67, within=0.03)
claim("detection, foreign", ours.shuffled.mean(), text=0.50, within=0.03)
n_pairs = sum(each.kind == dashboards.DESCRIPTION_KINDS[3] for each in ours.descriptions)
claim("latents with pairs", n_pairs, text=1, within=4)
claim("named in the strongest quarter", ours.strong.mean(), text=0.55, within=0.06)
claim("for one vector", described["one vector"].strong.nanmean(), text=0.71, within=0.06)
claim("named in the weakest quarter", ours.weak.mean(), text=0.35, within=0.06)
assert scored["latents"][1] > scored["all alike"][2] and n_pairs < 10
assert max(scored[name][0] for name in ("shaped", "one vector")) > scored["latents"][0]
assert scored["competing"][0] > scored["latents"][0] - 0.05
assert dashboards.mean_interval(ours.strong - ours.weak)[1] > 0
assert max(each.named.mean() for each in described.values()) < 0.1

# %% [markdown]
# ## 5. The whole dashboard on a model that was never trained
#
# Here is another control. Take SmolLM2 with all weights **drawn at random**: same shape, same tokenizer, and nothing learnt. An autoencoder of the same size was trained on its layer 15, on the same texts (`data/sae/untrained`). Now make the same dashboard and the same scores.
#
# Heap and colleagues did this with Pythia models (arXiv 2501.17727), and report that scores of automatic interpretation are *similar* for trained and random models. A claim to test: *predict first*, for each line of the dashboard, whether it falls.

# %%
from transformer_lens.tools.analysis.interchange import random_init_bridge

from utils.fetch import DEFAULT, fetch

untrained = random_init_bridge(str(fetch(DEFAULT)), seed=0, device=cfg.device)
untrained_x, untrained_held_x = harvest(untrained, rows), harvest(untrained, held_rows)
untrained_sae = saes.load_sae(root / "data" / "sae" / "untrained")
untrained_board = dashboards.dashboard(
    untrained, untrained_sae, (untrained_x, untrained_held_x), piles, vocabulary
)
untrained_sample = dashboards.drawn(untrained_board.active, untrained_board.held_active, 200)
figures.stacked(
    [figures.feature_card(*untrained_board.card(each, 4)) for each in untrained_sample[:2].tolist()]
)

# %% [markdown]
# A full card for each, and nothing about them looks broken: examples, logits, neighbours, a density. Now all scores, side by side: the dictionary of the trained model, that of the untrained one, and the random directions of section 2 (for the variance explained: the best weights for 32 of them, at every fifth token).

# %%
scores["untrained"] = untrained_board.scores(untrained_sample)
for each in scores.values():
    each["token detectors, %"] = 100 * (each.pop("the token's share of variance") > 0.5).float()
found = summary(scores)
WHO, DESCRIBED = ("trained", "untrained", "random directions"), "description: held-out score"
means = {who: {name: found[who, name][0] for name in scores[who]} for who in WHO}
weights = [each.detach() for each in (untrained_sae.W_dec, untrained_sae.b_dec)]
untrained_rebuilt, untrained_held_rebuilt = (
    each.rebuilt(*weights) for each in (untrained_board.active, untrained_board.held_active)
)
fifth = held_x[::5]
by_nobody = [
    r_squared(saes.random_dictionary(x, sae.d_sae, k=sae.k, of_vectors=each)(fifth), fifth)
    for each in (False, True)
]
whole = [kept, r_squared(untrained_held_rebuilt, untrained_held_x), by_nobody[0]]
own_texts = r_squared(rebuilt, x), r_squared(untrained_rebuilt, untrained_x)
boards = (board, untrained_board, random_board)
often = [len(dashboards.drawn(b.active, b.held_active, sae.d_sae)) for b in boards]
plots.table(
    [
        ("variance explained, new subjects", *(f"{value:.0%}" for value in whole)),
        ("the same, texts it was trained on", *(f"{value:.0%}" for value in own_texts), ""),
        ("latents active often enough to score", *(f"{value:,}" for value in often)),
        *(
            (name, *("{:.2f} ({:.2f} to {:.2f})".format(*found[who, name]) for who in WHO))
            for name in scores["trained"]
        ),
    ],
    columns=["means over 200 latents, with intervals", *WHO],
)

# %% [markdown]
# And what is the untrained stream made of? How much of a vector's variance does its token explain (means from the reading pile), and how much the *text* it is in (means from every second token of the text, tested on the others)?

# %%
streams = {"trained": (x, held_x), "untrained": (untrained_x, untrained_held_x)}
made_of = {
    who: (
        dashboards.explained_by_token(fit, reading, vectors, held_out),
        dashboards.explained_by_text(vectors, held_out),
    )
    for who, (fit, vectors) in streams.items()
}
# Layer 0 of the untrained model: a random vector for each token, and no block at all.
embedded = [untrained.W_E.detach().float().cpu()[each.tokens] for each in piles]
fit, test = dashboards.matched_directions(*embedded, wanted)
by_token = dashboards.score_latents(fit, reading, test, held_out)
per_token = dashboards.mean_interval(by_token.detection)
shaped = dashboards.shaped_directions(untrained_x, sae.d_sae)
untrained_near = dashboards.nearest_cosines(shaped, sample).mean()
print({who: [round(share, 2) for share in both] for who, both in made_of.items()})
print(f"variance explained by {sae.d_sae:,} vectors of the trained stream: {by_nobody[1]:.0%}")

# %% [markdown]
# *What falls without training:* the description's score, from **0.69** to **0.51**, and the share of token detectors, from **19%** to **0%**. The variance explained falls from **85%** to **64%** on new subjects. But on the texts they were trained on both dictionaries explain **87%**: the untrained model's fits its own texts as well, and carries over less. And `4,608` vectors of the trained stream, with no training of a dictionary, explain **66%** on new subjects (random directions **34%**).
#
# *What does not:* `32` latents a token come with the method, and so does the mean density over all latents. The cosine to the nearest latent is **0.26**; random directions with the covariance of the untrained stream have **0.43**, so this line is about the stream here, too. And every latent still gets a card.
#
# *What rises:* the share of a latent's variance that its text explains, from **-0.01** to **0.36**. The vectors say the same: in the untrained model the text explains **0.76** of their variance (trained: **0.09**), the token **-0.17**, worse than the overall mean (trained: **0.47**). Attention with random weights should be close to an even average over all earlier tokens (we did not look), and fifteen such layers would leave little else. Its latents tell texts apart, and ten tokens cannot say which text.
#
# So did the paper's claim replicate? With this way to draw the weights (one seed), at this layer, with these descriptions: no, the score falls nearly to chance. But that is no proof that a high score shows learning. Random directions keep it in the trained model (**0.67**), and a random vector for each token, with no model at all, scores **0.74**: by construction, since it follows the token. **The score measures how closely activations follow tokens, and that is not whether something was learnt.** It is evidence only beside the same score where you *know* that nothing was learnt, and one such control is not enough: held against the untrained model alone, these latents would have passed.
#
# Which lines tell trained latents from both columns? The variance explained on new subjects, the token detectors and the strongest quarter's names (**0.55**, against **0.07** and **0.26**). But of section 4's directions to one vector **22%** are token detectors, and their strongest quarter has more names. The most promoted token stands a little higher, too (**5.08** standard deviations, against **4.22** and **4.81**); we held that against no harder control. (For random directions the order is turned round: **0.51** of the *weakest* quarter are named. Why, we did not find out.) Of the lines that we did hold against one, what is left is the variance explained on new subjects: the dictionary carries over to other texts, and does so better than vectors of the stream.

# %% tags=["numbers"]
TEXT, DETECTORS = "the text's share of variance", "token detectors, %"
STRONG, WEAK = (f"names of its {which} quarter" for which in ("strongest", "weakest"))
claim("untrained, explained, %", 100 * whole[1], text=64, within=4)
claim("random, explained, %", 100 * whole[2], text=34, within=4)
claim("vectors, explained, %", 100 * by_nobody[1], text=66, within=4)
claim("on its own texts, trained, %", 100 * own_texts[0], text=87, within=2)
claim("on its own texts, untrained, %", 100 * own_texts[1], text=87, within=3)
claim("untrained, described", means["untrained"][DESCRIBED], text=0.51, within=0.03)
claim("untrained, detectors, %", means["untrained"][DETECTORS], text=0, within=4)
claim("untrained, nearest", means["untrained"][NEAR], text=0.26, within=0.03)
claim("untrained, nearest, shaped", untrained_near, text=0.43, within=0.04)
claim("trained, the text", means["trained"][TEXT], text=-0.01, within=0.04)
claim("untrained, the text", means["untrained"][TEXT], text=0.36, within=0.08)
claim("text, untrained stream", made_of["untrained"][1], text=0.76, within=0.05)
claim("text, trained stream", made_of["trained"][1], text=0.09, within=0.05)
claim("token, untrained stream", made_of["untrained"][0], text=-0.17, within=0.06)
claim("token, trained stream", made_of["trained"][0], text=0.47, within=0.05)
claim("random vector per token", per_token[0], text=0.74, within=0.04)
SHARP = "most promoted token (sd)"
claim("sharpest, trained", means["trained"][SHARP], text=5.08, within=0.3)
claim("sharpest, untrained", means["untrained"][SHARP], text=4.22, within=0.3)
claim("sharpest, random", means["random directions"][SHARP], text=4.81, within=0.3)
claim("untrained, strongest", means["untrained"][STRONG], text=0.07, within=0.05)
claim("random, strongest", means["random directions"][STRONG], text=0.26, within=0.1)
claim("random, weakest", means["random directions"][WEAK], text=0.51, within=0.1)
assert kept > max(*whole[1:], by_nobody[1]) + 0.1
assert means["random directions"][WEAK] > means["random directions"][STRONG] + 0.1
assert untrained_near > means["untrained"][NEAR]
assert found["untrained", DESCRIBED][2] < 0.55 and per_token[1] > found["trained", DESCRIBED][2]
for name in (DETECTORS, STRONG, SHARP):
    assert found["trained", name][1] > max(found[who, name][2] for who in WHO[1:])
assert found["untrained", TEXT][1] > found["trained", TEXT][2]
assert made_of["untrained"][0] < 0
fit, test = controls["one vector"]
toward = token_share(fit, reading.tokens, test, held_out.tokens)
claim("one vector, detectors, %", 100 * (toward > 0.5).float().mean(), text=22, within=8)
assert described["one vector"].strong.nanmean() > means["trained"][STRONG]

# %% [markdown]
# ## 6. Steering with a feature
#
# Lesson 3.1 steered with the difference of means. A feature's direction is the rival: it was there before any pairs, which serve only to find it. **The rule for finding it**, before you look: of all latents the one whose mean activation rises most from the sentences without the concept to those with it, on the pairs to *fit*. Everything is then measured on the other pairs.
#
# The instruments are lesson 3.1's. **Effect**: by how many nats a token the model comes to prefer the sentence with the concept. **Cost**: by what factor one steered token raises the perplexity. Layer 15 for all, since the dictionary lives there (lesson 3.1 found that a later one works better). A dose is a vector's length in units of the typical length of the stream. All at dose `0.3`. Controls: a random latent (the first of the draw); and, since the feature is the best of `4,608`, *the same rule* on two dictionaries that nobody trained: the random one of section 2, and `4,608` vectors of the stream.
#
# *Predict first:* feature or difference of means, for the sea? For sentiment?

# %%
STEERED, SPAN = ("sea", "sentiment"), "{:+.2f} ({:.2f} to {:.2f})"
vector_sae = dashboards.untrained_dictionary(sae, x, of_vectors=True)
dictionaries = {"feature": sae, "random directions": random_sae, "stream vectors": vector_sae}
chosen = {
    (c, name): dashboards.steering_rivals(model, each, c, layer=LAYER)
    for c in STEERED
    for name, each in dictionaries.items()
}
rivals = {c: chosen[c, "feature"] for c in STEERED}
vectors = {(c, name): each.vectors["feature"] for (c, name), each in chosen.items()}
for c in STEERED:
    vectors[c, "means"], vectors[c, "random latent"] = rivals[c].vectors["means"], W_dec[sample[0]]
curve = dashboards.steered_pairs(model, vectors, dose=0.3, layer=LAYER)
effect = {key: dashboards.mean_interval(run.change) for key, run in curve.items()}


def cosine_of_sum(rival: dashboards.Rivals, directions: Tensor, n: int) -> float:
    """Cosine of the means with the sum of the n latents that change most, each times its change."""
    most = rival.rise.abs().argsort(descending=True)[:n]
    total = rival.rise[most] @ directions[most]
    return torch.cosine_similarity(total, rival.vectors["means"], dim=0).item()


alike = {
    key: [cosine_of_sum(each, dictionaries[key[1]].W_dec.detach(), n) for n in (1, 10)]
    for key, each in chosen.items()
}
print("cosine of the means with 1 and 10 latents:")
print({key: [round(cosine, 2) for cosine in both] for key, both in alike.items()})
rows_shown = [
    (c, name, SPAN.format(*effect[c, name]), f"{run.cost:.2f}")
    for (c, name), run in sorted(curve.items())
]
columns = ["towards", "vector", "effect (nats)", "cost (factor)"]
cards = [card(rivals[c].latent, 3) for c in STEERED]
figures.stacked([*cards, plots.table(rows_shown, columns=columns)])

# %% [markdown]
# Towards **the sea**: **0.57** nats for the feature at a cost of **1.57**, **0.59** for the difference of means at **1.60**. Towards **positive sentiment**: **0.40** at **1.40**, and **0.53** at **1.38**. Pair by pair the means are ahead by **0.03** for the sea and by **0.13** for sentiment, and both intervals hold 0. So latents that were there before anyone asked come near the vectors that were made for the purpose; `18` pairs each cannot tell which is better.
#
# A random latent moves hardly anything. Towards the sea a *chosen* direction does, untrained as it is: the same rule finds one of **0.18** among random directions, and one of **0.33** among vectors of the stream. (For sentiment they have **0.08** and **0.07**.) The latents are ahead of both. But part of what a feature does may come from its having been chosen among thousands.
#
# Why so near? Add up latents, each times its change between the sentences. The one that changes most has a cosine of **0.76** with the means for the sea and **0.72** for sentiment; ten have **0.86** and **0.85**. So the difference of means is a few latents for the most part, and many small ones. (The one chosen in an untrained dictionary has less: printed above.)
#
# Do not build on one dictionary: another training may have no such latent.

# %% tags=["numbers"]
claim("sea, feature", effect["sea", "feature"][0], text=0.57, within=0.06)
claim("sea, feature, cost", curve["sea", "feature"].cost, text=1.57, within=0.1)
claim("sea, means", effect["sea", "means"][0], text=0.59, within=0.06)
claim("sea, means, cost", curve["sea", "means"].cost, text=1.60, within=0.1)
claim("sentiment, feature", effect["sentiment", "feature"][0], text=0.40, within=0.06)
claim("sentiment, feature, cost", curve["sentiment", "feature"].cost, text=1.40, within=0.1)
claim("sentiment, means", effect["sentiment", "means"][0], text=0.53, within=0.06)
claim("sentiment, means, cost", curve["sentiment", "means"].cost, text=1.38, within=0.1)
claim("sea, random, same rule", effect["sea", "random directions"][0], text=0.18, within=0.1)
claim("sea, vectors, same rule", effect["sea", "stream vectors"][0], text=0.33, within=0.1)
claim("mood, random, same rule", effect["sentiment", "random directions"][0], text=0.08, within=0.1)
claim("mood, vectors, same rule", effect["sentiment", "stream vectors"][0], text=0.07, within=0.1)
ahead = {
    c: dashboards.mean_interval(curve[c, "means"].change - curve[c, "feature"].change)
    for c in STEERED
}
claim("means ahead, sea", ahead["sea"][0], text=0.03, within=0.06)
claim("means ahead, sentiment", ahead["sentiment"][0], text=0.13, within=0.06)
claim("1 latent, sea", alike["sea", "feature"][0], text=0.76, within=0.05)
claim("1 latent, sentiment", alike["sentiment", "feature"][0], text=0.72, within=0.05)
claim("10 latents, sea", alike["sea", "feature"][1], text=0.86, within=0.05)
claim("10 latents, sentiment", alike["sentiment", "feature"][1], text=0.85, within=0.05)
for c in STEERED:
    feature, means_of = effect[c, "feature"], effect[c, "means"]
    assert 0.6 * means_of[0] < feature[0] < means_of[0] + 0.05
    assert abs(effect[c, "random latent"][0]) < 0.2
    for untrained_name in ("random directions", "stream vectors"):
        lead = curve[c, "feature"].change - curve[c, untrained_name].change
        assert dashboards.mean_interval(lead)[1] > 0 and alike[c, untrained_name][0] < 0.6
assert all(each[1] < 0 < each[2] for each in ahead.values())

# %% [markdown]
# And when the model writes? `data/feature_steering` has 120 texts for each vector at dose `0.3`: 24 openings, five samples of 20 tokens each, all runs with the same random numbers. Scores are lesson 3.1's (`-1` to `1`), here minus those of the unsteered texts. The costs are lesson 3.1's too: the perplexity that the unsteered model gives the text, and the share of pairs of tokens that had come before in it.

# %%
written, wrote = written_texts(), {}
for c in STEERED:
    score = {run: concepts.score(c, each.texts) for run, each in written.items()}
    for run, each in written.items():
        rise = score[run] - score["unsteered"]
        wrote[run, c] = dashboards.mean_interval(rise, groups=each.openings)
price = {run: each.loss.mean().exp() for run, each in written.items()}
rises = {run: [SPAN.format(*wrote[run, c]) for c in STEERED] for run in written}
first = {run: " ".join(each.texts[0].split()) for run, each in written.items()}
plots.table(
    [
        (run, *rises[run], f"{price[run]:.1f}", f"{each.two.mean():.1%}", first[run])
        for run, each in written.items()
    ],
    columns=["steered by", "sea", "sentiment", "perplexity", "repeated", "first text"],
)

# %% [markdown]
# The sea's score rises by **0.28** with the feature (**0.20** to **0.36**) and by **0.37** with the means; for sentiment it is **0.40** and **0.30**. Random latents: **0.06** at most. That costs: towards the sea the perplexity is about twice that of the unsteered text, and random latents raise it, too, though less. Pairs of tokens are hardly repeated in any run: at this dose the text becomes less likely, and does not turn in circles.
#
# Both instruments, pairs and written text, agree that both vectors work. Which is ahead they do not settle: for sentiment it is the means with the pairs, and the feature with the texts. And a latent that made the model write its own few words would please the score of the text, which counts words. So report both.

# %% tags=["numbers"]
for c in STEERED:  # the texts were written with this dictionary
    assert written[f"{c}, feature"].latent == rivals[c].latent
strays = [run for run in written if run.startswith("random")]
of_sea, of_mood = (wrote[f"{c}, feature", c] for c in STEERED)
claim("sea, feature, rise", of_sea[0], text=0.28, within=0.1)
claim("sea, feature, rise, low end", of_sea[1], text=0.20, within=0.1)
claim("sea, feature, rise, high end", of_sea[2], text=0.36, within=0.1)
claim("sea, means, rise", wrote["sea, means", "sea"][0], text=0.37, within=0.1)
claim("sentiment, feature, rise", of_mood[0], text=0.40, within=0.1)
claim("mood, means", wrote["sentiment, means", "sentiment"][0], text=0.30, within=0.1)
by_stray = max(wrote[run, c][0] for run in strays for c in STEERED)
claim("random latents, rise", by_stray, text=0.06, within=0.1)
assert of_sea[1] > by_stray and of_mood[1] > by_stray
assert effect["sentiment", "means"][0] > effect["sentiment", "feature"][0]
assert of_mood[0] > wrote["sentiment, means", "sentiment"][0]
for run in ("sea, feature", "sea, means"):
    assert 1.7 < price[run] / price["unsteered"] < 2.3
    assert all(price["unsteered"] < price[stray] < price[run] for stray in strays)
assert max(each.two.mean() for each in written.values()) < 0.06

# %% [markdown]
# ## 7. Feature against probe, when the world shifts
#
# Why should an SAE beat a probe? One hope: a probe takes whatever separates the classes in training, including what should not matter; a *feature* is about one thing, so it should hold when that changes. Test it where you know what changes.
#
# The task: does a text (20 tokens of lesson 3.1's classifier texts) belong to the concept? **The planted shift**: some texts get a marker at their end, *Thank you for reading.* In training a share `p` of the texts with the concept has it, and `1 - p` of the others; in the test it is the other way round. `p = 0.5` is no shift, and a rule that reads the marker alone is right in `1 - p` of the test. Subjects of the test texts never come in training. (This set-up was found by trying: other texts and penalties came first. The rivals *all latents* and *16 dense* were added after the results, to find out why the sparse ones fall. So read it as a description, not as a test that was fixed beforehand.)
#
# A sparse probe chooses few columns and fits those. Which?
#
# ### Exercise 5 · choosing columns (10 minutes, easy)


# %% tags=["exercise:utils.features.shift.choose_columns"]
def choose_columns(x: Float[Tensor, "n d"], y: Int[Tensor, " n"], k: int) -> Int[Tensor, " k"]:
    """The k columns whose class means differ most, in standard deviations of the column; any order.

    Args:
        x: such as the highest activation of each latent in each text. Some columns never vary:
            they come last.
        y: labels, 0 and 1.
    """
    ### BEGIN SOLUTION
    gap = (x[y == 1].mean(0) - x[y == 0].mean(0)).abs()
    spread = x.std(0)
    return (gap / (spread + 1e-3 * spread.max())).topk(k).indices
    ### END SOLUTION


# %% tags=["check"]
choose_columns = lesson_43.check_choose_columns(choose_columns)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `x[y == 1]` are the rows of one class. A column that falls tells the classes apart as well as one that rises.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Most latents are silent in all texts: gap and spread are 0, and 0 / 0 is nan, which `topk` ranks highest. What could you add to the spread so that this cannot happen, and that hardly changes the others?
#
# </details>

# %% [markdown]
# The rivals, each fitted on the training texts alone:
#
# - **stream**: logistic regression on the mean vector of the text (`576` numbers); and the mean difference, **whitened**: multiplied by the inverse of the covariance within the classes (plus a little of the average variance), so that directions in which texts vary anyway count less;
# - **all latents**: logistic regression on the highest activation of each of the `4,608` latents in the text;
# - **1 latent**, **16 latents**: the same on the columns that you choose; with the mean over the text in place of the highest activation, too;
# - **16 random**: out of the `4,608` of the random dictionary, which are as sparse; **16 dense**: out of `4,608` random projections of the stream's mean, which are never silent. Both are controls.
#
# *Predict first:* who wins without a shift? Who with `p = 0.8`? With `p = 0.9`?

# %%
from utils.features import shift

marker = model.to_tokens(" Thank you for reading.", prepend_bos=False)[0].cpu()
tasks = {}
for concept in ("sea", "formality"):
    written_for, labels, subjects = concepts.labelled_texts(concept)
    short = [model.to_tokens(t, prepend_bos=False)[0].cpu()[:20] for t in written_for]
    tasks[concept] = shift.marked_texts(
        lambda rows: harvest(model, rows), short, marker, labels, subjects, (sae, random_sae)
    )

RIVALS, SHIFTS = tuple(shift.RIVALS), (0.5, 0.8, 0.9)
shown_at = (*SHIFTS, "p = 0.9, marker removed")
results = {(c, r, p): tasks[c].accuracy(r, p) for c in tasks for r in RIVALS for p in SHIFTS}
for c, r in ((c, r) for c in tasks for r in RIVALS):
    results[c, r, shown_at[3]] = tasks[c].accuracy(r, 0.9, remove=True)
at = {key: right.nanmean().item() for key, right in results.items()}  # nan: never in a test
single_latents = {
    (c, p): [tasks[c].chosen("1 latent", p, split=split).item() for split in range(5)]
    for c in tasks
    for p in SHIFTS
}
print("1 latent, in each of five splits:", single_latents)
plots.table(
    [(c, r, *(f"{at[c, r, p]:.2f}" for p in shown_at)) for c in tasks for r in RIVALS],
    columns=["concept", "rival", *(f"p = {p}" for p in SHIFTS), shown_at[3]],
)

# %%
SHOWN = ("stream", "16 dense", "all latents", "1 latent", "16 latents", "16 random")
shifted = {f"{c}, p = {p}": (c, p) for c in tasks for p in (0.5, 0.9)}
plots.intervals(
    {
        panel: {
            r: dashboards.mean_interval(results[c, r, p], groups=tasks[c].subjects) for r in SHOWN
        }
        for panel, (c, p) in shifted.items()
    },
    title="16 dense projections fall as the stream does; 16 sparse columns fall further, trained or not",
    marks=dict.fromkeys(shifted, 0.5),
    alike=tuple(shifted),
)

# %% [markdown]
# **Without a shift** it depends on the concept. The sea: **0.84** for 16 latents, **0.68** for the stream, **0.75** whitened; 16 latents are ahead of the whitened probe by **0.09** (**0.04** to **0.15**). One latent alone gives **0.85**, 16 random directions **0.64**, shuffled labels **0.42**. Formality: **0.91** for 16 latents, **0.93** for the stream: no lead there. Why the sea? Perhaps since it is a topic, and a few latents are about it, where formality is a manner of all words at once; two concepts cannot tell.
#
# **At `p = 0.9`** on the sea all rivals are below chance: the stream has **0.31**, 16 latents **0.20**, all latents **0.15**. On formality the stream keeps **0.78** and all latents together **0.72**; 16 latents have **0.41**. 16 *random* directions end at **0.10** on both, and a rule that reads the marker alone gets `0.1`: so they seem to read little else.
#
# Why do they fall? Not since 16 are few: 16 out of as many *dense* projections do what the stream does (**0.28**, and on formality **0.84**). What falls further on both concepts is a choice among *sparse* columns. (To choose none helps on formality, **0.72** against **0.41**, and not on the sea, **0.15** against **0.20**.) In a TopK dictionary, trained or not, some columns are active at the marker and hardly anywhere else. Let one chosen column alone tell the sea's texts with the marker from those without. Its accuracy, a mean over the 16, is **0.96** for latents, **0.97** for random directions, and **0.67** for dense projections.
#
# **One latent** deserves a second look. At `p = 0.8` it stays at **0.85** on the sea, and the stream falls to **0.53**. But that is arithmetic. One column is about the topic or about the marker, and the marker is right in `0.8` of the training texts, less often than the topic's latent. At `0.9` the marker's may win: it does in **4** of the five splits on the sea, in **2** on formality. So the **0.26** and **0.56** there are mixtures of splits near `0.9` and splits near `0.1`. (The sea's latent is one you know: section 6 steered with it.)
#
# **What does help** is knowing the marker. Take it out (last column: for latents, set to 0 those that it changes by more than a tenth of a standard deviation; for the stream, the direction of the mean change): 16 latents and the stream are back where they were. (With means in place of the highest activation it is not so: on the sea **0.62**, against **0.80** before.) Both removals saw each training text with and without the marker. With latents there is another way, to *look* at the chosen 16 and ask what they are about. That may be the better argument for features: not that they are robust, but that their failure can be read. It is not measured here (question 4).

# %% tags=["numbers"]
claim("sea, 16 latents", at["sea", "16 latents", 0.5], text=0.84, within=0.04)
claim("sea, stream", at["sea", "stream", 0.5], text=0.68, within=0.04)
claim("sea, whitened", at["sea", "stream, whitened", 0.5], text=0.75, within=0.04)
gap = results["sea", "16 latents", 0.5] - results["sea", "stream, whitened", 0.5]
ahead_on_sea, low, high = dashboards.mean_interval(gap, groups=tasks["sea"].subjects)
claim("sea, difference", ahead_on_sea, text=0.09, within=0.05)
claim("sea, difference, low end", low, text=0.04, within=0.05)
claim("sea, difference, high end", high, text=0.15, within=0.05)
claim("formality, 16 latents", at["formality", "16 latents", 0.5], text=0.91, within=0.03)
claim("formality, stream", at["formality", "stream", 0.5], text=0.93, within=0.03)
claim("sea, 16 random", at["sea", "16 random", 0.5], text=0.64, within=0.06)
no_labels = tasks["sea"].accuracy("16 latents", 0.5, shuffle=True).nanmean()
claim("sea, shuffled", no_labels, text=0.42, within=0.08)
claim("sea, stream, 0.8", at["sea", "stream", 0.8], text=0.53, within=0.06)
claim("sea, 1 latent, 0.8", at["sea", "1 latent", 0.8], text=0.85, within=0.08)
claim("sea, 16 latents, 0.9", at["sea", "16 latents", 0.9], text=0.20, within=0.06)
claim("sea, 1 latent, 0.9", at["sea", "1 latent", 0.9], text=0.26, within=0.2)
claim("sea, stream, 0.9", at["sea", "stream", 0.9], text=0.31, within=0.06)
claim("formality, stream, 0.9", at["formality", "stream", 0.9], text=0.78, within=0.06)
claim("formality, all, 0.9", at["formality", "all latents", 0.9], text=0.72, within=0.06)
claim("sea, all latents, 0.9", at["sea", "all latents", 0.9], text=0.15, within=0.05)
claim("formality, 1, 0.9", at["formality", "1 latent", 0.9], text=0.56, within=0.2)
claim("formality, 16, 0.9", at["formality", "16 latents", 0.9], text=0.41, within=0.08)
claim("sea, random, 0.9", at["sea", "16 random", 0.9], text=0.10, within=0.05)
claim("sea, means", at["sea", "16 latents, means", 0.5], text=0.80, within=0.05)
claim("sea, means, removed", at["sea", "16 latents, means", shown_at[3]], text=0.62, within=0.06)
claim("sea, 16 dense, 0.9", at["sea", "16 dense", 0.9], text=0.28, within=0.06)
claim("formality, 16 dense, 0.9", at["formality", "16 dense", 0.9], text=0.84, within=0.06)
SPARSE = ("16 latents", "16 random")
signs = {(c, r): tasks[c].sign(r, 0.9) for c in tasks for r in (*SPARSE, "16 dense")}
claim("latents as signs of the marker", signs["sea", "16 latents"], text=0.96, within=0.03)
claim("random directions", signs["sea", "16 random"], text=0.97, within=0.03)
claim("dense projections", signs["sea", "16 dense"], text=0.67, within=0.06)
topical = {c: single_latents[c, 0.5][0] for c in tasks}
flipped = {c: sum(each != topical[c] for each in single_latents[c, 0.9]) for c in tasks}
claim("splits that flip, sea", flipped["sea"], text=4, within=1)
claim("splits that flip, formality", flipped["formality"], text=2, within=1)
assert low > 0
assert max(at["sea", rival, 0.9] for rival in RIVALS) < 0.5
assert at["sea", "all latents", 0.9] < at["sea", "16 latents", 0.9]
for c in tasks:
    assert at[c, "16 random", 0.9] < 0.2 and at[c, "16 random", 0.9] < at[c, "16 latents", 0.9]
    assert at[c, "16 latents", 0.9] < at[c, "stream", 0.9]
    assert abs(at[c, "16 dense", 0.9] - at[c, "stream", 0.9]) < 0.1
    assert min(signs[c, r] for r in SPARSE) > signs[c, "16 dense"] + 0.2
    assert all(abs(at[c, r, shown_at[3]] - at[c, r, 0.5]) < 0.04 for r in ("stream", "16 latents"))
    assert set(single_latents[c, 0.5] + single_latents[c, 0.8]) == {topical[c]}
assert topical["sea"] == rivals["sea"].latent
assert at["formality", "16 latents", 0.5] < at["formality", "stream", 0.5] + 0.02

# %% [markdown]
# ## 8. Holes: splitting and absorption
#
# Suppose you find a latent that is active at pronouns. Is it active at *all* of them? Take ten families of tokens, words and signs (a token in small letters with no space before it is left out: most are pieces of longer words). A family's **parent** is the latent with the best F1 on the reading pile (the harmonic mean of precision and recall). But does a family *have* a parent? Only count one with an F1 of `0.7` or more that is active at half the places or more of at least half of the family's tokens. All counts are over tokens that come 5 times or more, in 3 texts or more. (Asked of any best latent, the question answers itself: the best latent of the articles may be that of ` the`, and then ` a` is "missing".)
#
# On the held-out pile, a **hole** is a token of the family where the parent is active at less than a tenth of the places. Who carries the family there? **Absorption** (Chanin and colleagues, arXiv 2409.14507) is one answer: a latent for that token takes over the family's direction, and the parent, no longer needed, falls silent. **Splitting** is another: the family is many latents from the start.
#
# The *family's direction* is that of a probe: section 7's whitened difference of means, this family's tokens against all others, on the stream. **The rule**: a hole is *absorbed* if some latent
#
# - is active at nine tenths of its places or more;
# - is active beside the parent in a quarter of the cases at most, when it is active in the family;
# - adds to the probe's score in the hole at least half of what the parent adds where that is active.
#
# A rule needs tests. **Planted**: take a token where the parent is active nearly always, and move the parent's activity there to a new latent of the same direction; the rule should find it. **Fake**: ask the latent of the family's commonest token in place of the parent. And to see what hangs on the texts, exchange the two piles.

# %%
both_piles = (x, active, reading), (held_x, held_active, held_out)
orders = {"chosen on reading": both_piles, "chosen on held-out": both_piles[::-1]}
studies = {order: absorption.study(vocabulary, *two, W_dec) for order, two in orders.items()}
one, two = studies.values()
all_holes, fake_holes = one.holes + two.holes, one.fake_holes + two.fake_holes
HOLES = "holes (* passes the rule), with the latent there and its activity's share at this token"
plots.table(
    [(order, *row) for order, each in studies.items() for row in each.rows(vocabulary)],
    columns=["", "family", "parent", "F1 on the other pile", "probe's", "tokens", HOLES],
)

# %% [markdown]
# Of ten families **4** have a parent (with the piles exchanged **3**), and with these parents there is **1** hole among **32** tokens (**4** of **34**). If the parent's activity is shuffled among the family's places there are **0.0** (a mean of 20 shuffles). But that is a handful of holes, in two families: little to build on.
#
# Of the holes **0** pass the rule for absorption (**3** with the piles exchanged). Does the rule work? It calls **10** of **10** planted ones absorbed, and names the planted latent in **6**. And of the holes of *fake* parents it calls **101** of **120** absorbed: with one latent for each word, every word is "taken over" from its neighbour. So most of what this rule would call absorption comes from asking a latent that is no parent.
#
# Look at the three. All are forms of *be*, and their parent is a poor one: chosen on one pile, it has an F1 of **0.58** on the other. ` be` and ` being` have one latent between them. Is any the clean case, "the parent, but for this one token"? Then the latent there should be about that token: half of its activity or more. That holds for **1**, ` been`; the latent of ` be` and ` being` has **0.47** of its activity at the two. So these three forms have a latent each, or one for two: that is splitting as much as absorption.
#
# Absorption is a finding about first letters in another model, with dictionaries of many sizes. In ours, in the few of ten families that have a parent, we found one clean case.

# %% tags=["numbers"]
claim("parents", len(one.real), text=4, within=2)
claim("parents, exchanged", len(two.real), text=3, within=2)
n_asked, n_asked_two = (sum(len(each.tokens) for each in s.real.values()) for s in (one, two))
claim("holes", len(one.holes), text=1, within=3)
claim("tokens", n_asked, text=32, within=15)
claim("holes, exchanged", len(two.holes), text=4, within=4)
claim("tokens, exchanged", n_asked_two, text=34, within=15)
by_luck = sum((f.chance < 0.1).float().sum(1).mean() for s in (one, two) for f in s.real.values())
claim("holes, shuffled", by_luck, text=0.0, within=0.5)
absorbed = [[hole for hole in each.holes if hole.absorbs] for each in (one, two)]
claim("absorbed", len(absorbed[0]), text=0, within=2)
claim("absorbed, exchanged", len(absorbed[1]), text=3, within=3)
planted = one.planted + two.planted
claim("planted, found", sum(called for called, _ in planted), text=10, within=3)
claim("planted, named", sum(named for _, named in planted), text=6, within=3)
rate_fake = sum(hole.absorbs for hole in fake_holes) / len(fake_holes)
claim("fake, absorbed", rate_fake * len(fake_holes), text=101, within=25)
claim("fake, holes", len(fake_holes), text=120, within=25)
be = two.real["forms of be"]
claim("F1 of the parent of be", be.f1, text=0.58, within=0.08)
own = {vocabulary[hole.token]: hole for hole in be.takeovers if hole.absorbs}
clean = [token for token, hole in own.items() if hole.own >= 0.5]
claim("clean", len(clean), text=1, within=0.1)
claim("be and being", own[" be"].own + own[" being"].own, text=0.47, within=0.1)
assert clean == [" been"] and own[" be"].latent == own[" being"].latent
assert len(absorbed[0] + absorbed[1]) == len(own) == 3
assert by_luck + 1 < len(all_holes) < 10 and rate_fake > 0.6
assert sum(called for called, _ in planted) > 0.9 * len(planted)

# %% [markdown]
# ## 9. A copy, or the shadows of a copy?
#
# A head that copies (lesson 1.2) does *one* thing for all tokens: one matrix takes what stands there and writes it elsewhere. A dictionary sees the stream, never the matrix. Block 15 reads what previous-token heads have written. So: is there a latent for each token that stood before, its **shadow**? Or *a* latent for "here something is being copied"?
#
# **Shadows.** For each token that comes 20 times or more before another in the reading pile: the latent with the best F1 for "the token before is this one", tested on the held-out pile. The control shuffles these labels; the rival is one linear map from the stream to the embedding of the token before.
#
# **Copying.** Random tokens, and the same again, as in lesson 1.1; and sequences whose second half is new. In which latents does activity rise most from the first half to a repeated one, less its rise to a new one? Choose four on one set of sequences, test them on another. The control: four by the same rule from each of the two untrained dictionaries of section 6.

# %%
before = [dashboards.neighbour(each, -1) for each in piles]
mixing = torch.Generator().manual_seed(0)
mixed = [each[torch.randperm(len(each), generator=mixing)] for each in before]
shadow = {
    "this token": absorption.own_latents(active, reading.tokens, held_active, held_out.tokens),
    "the token before": absorption.own_latents(active, before[0], held_active, before[1]),
    "shuffled (control)": absorption.own_latents(active, mixed[0], held_active, mixed[1]),
}
W_E = model.W_E.detach().float().cpu()
one_map = {
    name: dashboards.named_by_one_map(fit, before[0], test, before[1], W_E)
    for name, (fit, test) in {
        "stream": (x, held_x),
        "reconstruction": (rebuilt, held_rebuilt),
        "error (control)": (x - rebuilt, held_x - held_rebuilt),
        "this token alone (control)": [W_E[each.tokens] for each in piles],
    }.items()
}
named = {
    name: dashboards.mean_interval(right, groups=held_out.text.tolist())
    for name, right in one_map.items()
}
random_rows = dashboards.copying_sequences(absorption.common(reading.tokens))
copied = [harvest(model, each) for each in random_rows]
copying = {
    name: dashboards.copying_latents(
        *(dashboards.activity(each.encode, v, k=sae.k) for v in copied)
    )
    for name, each in dictionaries.items()
}
always = (before[1] == before[0][before[0] >= 0].mode().values).float()
always = always[~one_map["stream"].isnan()].mean()
have = {name: (each >= 0.5).sum().item() for name, each in shadow.items()}
print("tokens with a latent of F1 a half or more:", have, "of", len(shadow["this token"]))
print({name: round(each[0], 2) for name, each in named.items()})
for name, each in copying.items():
    print(name, *([round(value, 2) for value in part.tolist()] for part in each))
best = int(copying["feature"].latents[0])
card(best, 5)

# %% [markdown]
# *Shadows:* **74** of **116** frequent tokens have a latent of their own (F1 of a half or more); for the token *before* it is **8** (shuffled: **0**). And yet one linear map names the token before from the stream in **0.32** of the cases in which that token comes in the reading pile, and in **0.33** from the reconstruction. The current token alone lets you guess **0.21**, and what the dictionary leaves out gives **0.05**, as much as always naming the commonest (**0.05**). So there is something about the token before in the stream that the current token does not tell, and the dictionary keeps it; for few tokens a single latent says it. For the rest it is spread over latents.
#
# *Copying:* several latents see it. The four chosen on the first sequences tell a repeated half from the first half with balanced accuracies of **0.76** to **0.96** on the others. A *new* second half they tell with **0.50** to **0.65** (`0.5` is chance; the best of them: **0.52**). The best of four random directions has **0.56**, of four vectors of the stream **0.56**. But in ordinary text, too, the best latent is active at **16.8%** of the tokens (its card shows where). So it tells repeated from new among random tokens; that it is *about* copying, this does not show.
#
# What the copies of all tokens have in common, the matrix, you find in the weights of the heads (lessons 1.2 and 1.5), not in a list of features.

# %% tags=["numbers"]
claim("this token", have["this token"], text=74, within=10)
claim("frequent tokens", len(shadow["this token"]), text=116, within=6)
claim("the token before", have["the token before"], text=8, within=4)
claim("shuffled", have["shuffled (control)"], text=0, within=1)
claim("one map, stream", named["stream"][0], text=0.32, within=0.04)
claim("one map, reconstruction", named["reconstruction"][0], text=0.33, within=0.04)
guess = named["this token alone (control)"]
claim("one map, this token", guess[0], text=0.21, within=0.04)
claim("one map, error", named["error (control)"][0], text=0.05, within=0.04)
claim("always the commonest", always, text=0.05, within=0.02)
found_copying = copying["feature"]
claim("copying, best", found_copying.repeated[0], text=0.96, within=0.08)
claim("copying, least of four", found_copying.repeated.min(), text=0.76, within=0.08)
claim("copying, density, %", 100 * density[best], text=16.8, within=0.3)
claim("copying, new", found_copying.new[0], text=0.52, within=0.08)
claim("copying, new, least", found_copying.new.min(), text=0.50, within=0.06)
claim("copying, new, most", found_copying.new.max(), text=0.65, within=0.08)
by_random, by_vectors = (copying[each].repeated.max() for each in list(dictionaries)[1:])
claim("copying, random", by_random, text=0.56, within=0.08)
claim("copying, vectors", by_vectors, text=0.56, within=0.08)
assert have["the token before"] < 0.25 * have["this token"] and named["stream"][1] > guess[2]
assert abs(named["reconstruction"][0] - named["stream"][0]) < 0.05
assert found_copying.repeated[0] > 0.8 and found_copying.new[0] < 0.65 and density[best] > 0.02
assert found_copying.repeated.min() > max(by_random, by_vectors)

# %% [markdown]
# ## 10. The questions newcomers ask
#
# **Why should an SAE beat a probe?** If you have labels and no shift, it may or may not: section 7 has one concept where latents lead and one where they do not, and two are no sample. Sparse probing on larger models found probes ahead on the whole (arXiv 2502.16681). What a probe cannot do is find what you have no labels for.
#
# **Do features hold when the world shifts?** Not by themselves: section 7. 16 latents fell further than the stream on both concepts, and 16 untrained sparse directions further still.
#
# **Do features stay put under fine-tuning?** That needs two stages of one model, which we did not compare. If you do, first measure the variance that the dictionary explains on the other stage's stream, beside what it explains at home (**85%** here) and what random directions do (**34%**). If that falls, its cards are about another model.
#
# **Do findings in toys carry over?** Ask for each one. Lesson 4.2's toy has the hierarchy by construction, and absorption came out of the training: the parent's latent fell silent beside many children. Here nobody planted a parent. Most families have none, the holes are few, and **1** is clean. The toy shows what *can* happen; how often it does happen, only the real model can say.
#
# **Are there features that are not one direction?** Yes: lesson 3.2's emotion *words* lie round a circle in a plane, and in lesson 2.3's toy model beliefs fill a triangle. A dictionary has only directions, so it must cover a plane with several; how it does that we did not test.
#
# **Can it see an OV copy, or only its shadows?** Section 9: the shadows, for few tokens, as single latents; a few latents tell repeated from new among random tokens, and are about more than that; the matrix, never: it is in the weights.
#
# **Does a big enough SAE find all features?** Lesson 4.2 counts where the features are planted: a larger dictionary finds more of the rare ones, at the price of dead latents. In a model nobody can count; what is left unexplained is in no latent, and "all" needs a list that nobody has.
#
# ## What you found

# %% tags=["results"]
lines = [
    ("description's score", scored["latents"][0], scored["shaped"][0], "shaped directions", ""),
    ("the same, untrained", means["untrained"][DESCRIBED], 0.5, "chance", "similar (2501.17727)"),
    ("push on what follows", *(means[who][PUSH] for who in WHO[::2]), "random", ""),
]
for c in STEERED:
    both = (effect[c, name][0] for name in ("feature", "means"))
    lines.append((f"steering, {c} (nats)", *both, "means", "means ahead (2501.17148)"))
for c, rival in (("sea", "stream, whitened"), ("formality", "stream")):
    for p in (0.5, 0.9):
        both = (at[c, which, p] for which in ("16 latents", rival))
        lines.append((f"{c}, p = {p}, 16 latents", *both, rival, "probes ahead (2502.16681)"))
holes = [f"{sum(h.absorbs for h in each)}/{len(each)}" for each in (all_holes, fake_holes)]
plots.table(
    [
        *((name, f"{a:.2f}", f"{b:.2f} {what}", paper) for name, a, b, what, paper in lines),
        ("holes absorbed", holes[0], f"{holes[1]} fake parents", "first letters (2409.14507)"),
    ],
    columns=["", "latents (SmolLM2-135M)", "control or rival", "papers, on larger models"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. A paper reports that `80%` of its features got a good description. Which three controls of this lesson do you ask for?
# 2. Why do directions to one vector score best in section 4? What would they score on vectors from which the mean vector of each token had been taken away?
# 3. The rule of section 6 took one latent. What would you get from the ten of largest rise, each with its own weight? What from all `4,608`?
# 4. In section 7 the marker is known. How would you find a marker that nobody told you about, with latents? With the stream?
# 5. Is a latent that is active at *a*, *an* and *the*, but not at sentence starts, wrong? About what?
#
# ## Common mistakes
#
# - Believing a card. It shows the strongest few activations; look at the middle of the range as well.
# - Reading promoted tokens of an early or middle layer as the latent's meaning.
# - Choosing latents to show by how good they look.
# - Taking "above random directions" for "a feature" where the directions do not even lie where the stream lies.
# - Calling every missed word absorption. First ask whether the latent is a parent, and what else is active where it *is*.
#
# ## Where this breaks
#
# One dictionary, one layer, one small model, one draw of random weights, and text that this model wrote. A longer training or another sparsity gives other latents. Our descriptions are of the simplest kind: what a latent says about topics, or about positions, they cannot say, so a low score is no proof that a latent means nothing; a large model that reads the cards may score otherwise, and needs the same controls. Sections 6 and 7 have three concepts, section 8 ten families.
#
# ## Further reading
#
# - Heap et al. (2025), *Sparse Autoencoders Can Interpret Randomly Initialized Transformers*, arXiv 2501.17727
# - Kantamneni et al. (2025), *Are Sparse Autoencoders Useful? A Case Study in Sparse Probing*, arXiv 2502.16681
# - Chanin et al. (2024), *A is for Absorption: Studying Feature Splitting and Absorption in Sparse Autoencoders*, arXiv 2409.14507
# - Wu et al. (2025), *AxBench: Steering LLMs? Even Simple Baselines Outperform Sparse Autoencoders*, arXiv 2501.17148
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.2 · Sparse autoencoders](42_sparse_autoencoders.ipynb) | **Next:** [5.1 · How a reasoning model checks itself](51_self_verification.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("43")
