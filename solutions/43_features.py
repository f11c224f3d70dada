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
# # 4.3 · Features of a real model, and of a random one
#
# [![Open lesson 4.3 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/43_features.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.2 · Sparse autoencoders](42_sparse_autoencoders.ipynb) | **Next:** [4.4 · Transcoders and attribution graphs](44_attribution_graphs.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/44_attribution_graphs.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. explore the features of a language model, and describe them from examples;
# 2. test descriptions on new text, beside a control without a dictionary's training, and in a model that never learned;
# 3. ablate a feature that you found, steer with it, and compare that with a prompt.
#
# **Time** one hour for the core, and 40 minutes for *Going deeper*. **Needs** lesson 4.2: TopK autoencoders; 3.1: steering.
# **Runs** in about a minute and a half on a laptop's processor.
#
# **First, play.** The third cell shows a sentence of which every token is coloured by the strongest **latents** of a sparse autoencoder (SAE).
# Type a sentence of your own and click a token. Search for a word. Draw a latent at random. What does each of them respond to?

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
import copy, json, warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils import plots
from utils.checks import lesson_43
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.features.dashboards import RULES, Marked, Steered, describe, evidence, load_split
from utils.features.explorer import Latents, Snippet, blind_game, explorer, questions
from utils.features.sae import load_sae
from utils.generation import sample
from utils.lesson import claim
from utils.models import load
from utils.stats import auc
from utils.steering import random_directions, steer, typical_norm

warnings.filterwarnings("ignore", message="TransformerBridgeConfig is already bound")  # copies
LAYER, SAES = 15, root / "data" / "sae"
model = load()
device = model.cfg.device
sae = load_sae(SAES / "smollm2", device=device).requires_grad_(False)
reading, held_out = (load_split(SAES / "smollm2", split) for split in ("reading", "held_out"))
latents = Latents(model, sae, reading.texts, reading.latents, layer=LAYER)

SOUGHT = {  # the hall of fame: of each search, the first hit with this word on its card
    "sea": "The ship sailed across the sea to the coast.",
    "army": "The army fought in the war, and many soldiers died.",
    "planet": "The planet turns around its star in space.",
    "music": "The band played music, and everybody sang the song.",
    "baked": "They baked the bread in the oven and made a soup.",
}


def first_hit(word: str, text: str) -> int | None:
    """The best latent of a search among whose strongest tokens is a word."""
    hits = (hit.latent for hit in latents.search(text, n=40))
    return next((i for i in hits if word in latents.words(i, n=8)), None)


found = {word: first_hit(word, text) for word, text in SOUGHT.items()}
FAMOUS = {latent: f"found by its word '{word}'" for word, latent in found.items() if latent}
explorer(latents, text="The ship left the harbour at dawn, loaded with salt.", famous=FAMOUS)

# %% [markdown]
# ## 1. What you are looking at
#
# The SAE is that of lesson 4.2. It reads the residual stream of SmolLM2 before block 15, `576` numbers a token, and rewrites it with `4,608` latents, of which at
# most 32 are active at a token.

# %%
figures.diagram(
    {
        "residual stream<br>before block 15": (0, 0),
        "32 of 4,608 latents:<br>number, activation": (1.5, 0),
        "sum of activation<br>x direction": (3, 0),
        "what the SAE<br>does not explain": (1.5, -1),
    },
    [
        (
            "residual stream<br>before block 15",
            "32 of 4,608 latents:<br>number, activation",
            "encoder",
        ),
        (
            "32 of 4,608 latents:<br>number, activation",
            "sum of activation<br>x direction",
            "decoder",
        ),
        ("residual stream<br>before block 15", "what the SAE<br>does not explain"),
    ],
    title="A latent is active or not at a token, and stands for one direction of the stream",
    marked=["32 of 4,608 latents:<br>number, activation"],
)

# %% [markdown]
# A **latent** is one unit of the SAE. At each token it has an *activation*, zero at most tokens, and it has one **direction**, its row of the decoder. A **feature** is
# what we hope that a latent stands for: a property of the text that the model represents. A latent's **density** is the share of tokens at which it is active.
#
# The cards are made from a **reading split**: 15,000 tokens of the texts on which the SAE was trained. Descriptions are tested on a **held-out split**: 8,000 tokens about subjects
# that no training text was asked about.
#
# A card has examples from the top, the middle and the bottom of the latent's range; an example from the top alone can flatter. The *hall of fame* under the search was **chosen**, by a rule
# in the cell above: of each of five searches, the first latent with a certain word on its card. The random draw was not chosen. Look at both before you go on: open two of the hall of fame, then
# press the random draw twice. Is there one sentence that covers *all* lines of a card?
#
# ## 2. The blind game
#
# A description is worth something if it says where the latent is active in text that you have not seen. So:
#
# 1. read nine examples of an unknown direction, and write a description;
# 2. sort ten held-out snippets by it: five are active at the marked token, five are not. Guessing gets five of ten.
#
# Two of the four rounds are SAE latents. The other two are a **control**: directions that come from the model without any dictionary's training. To make one, take the stream's vector at one random token of one training text,
# subtract the mean vector, and divide by the length. There are 4,608 such directions. Where are they active? At each token, take the dot product of every direction with the stream minus its mean, and keep the 32 largest, as the SAE does.
# (400 of them, drawn at random, are shipped.)
#
# Only what is active at 20 or more tokens of the reading split and at 10 or more held-out ones is drawn. That is about half of the latents, and nearly all of the control. You will not be told which round is which until the end.
# Two rounds are enough for now; the others can wait.


# %%
def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn_from(splits, who: str, n: int, *, seed: int = 0) -> tuple[list[int], Tensor]:
    """`n` latents drawn at random from those active at 20 tokens to read, 10 held out; how often."""
    pairs = [(split.texts, getattr(split, who)) for split in splits]
    often = [(acts.density * len(texts.tokens)).round() for texts, acts in pairs]
    able = ((often[0] >= 20) & (often[1] >= 10)).nonzero()[:, 0]
    drawn = able[torch.randperm(len(able), generator=seeded(seed))[:n]]
    return drawn.tolist(), often[0][drawn]


def rounds(splits, who: str, n: int, *, n_examples: int = 9, seed: int = 0) -> list:
    """A round for each of the latents drawn."""
    draw = seeded(seed + 1000 * (who == "control"))
    how = {"source": who, "n_examples": n_examples, "generator": draw}
    pairs = [(split.texts, getattr(split, who)) for split in splits]
    return questions(*pairs, drawn_from(splits, who, n, seed=seed)[0], latents.vocabulary, **how)


splits = reading, held_out
game = blind_game(
    [each for who in ("latents", "control") for each in rounds(splits, who, 2, seed=7)]
)
game

# %% [markdown]
# Four rounds cannot tell you which source is easier: one round more or less moves your mean by much. A comparison needs hundreds of rounds. So write a player.
#
# ## 3. A machine that plays
#
# Published pipelines let one large language model write the description and another one sort (Paulo and colleagues, arXiv 2410.13928). They are strong, and nobody can see what they know. This player is weak and open. Its descriptions are
# lists of words with weights, for one of three **rules**, which look at the marked token, at the token before it, or at the ten tokens before it. (Tokens after the marked one cannot matter:
# the model has not read them.)
#
# Two helpers are given. `describe(active, others, sees)` gives each word that a rule sees in active snippets a weight: the logarithm of its share among these snippets over its share among others. Words
# that come more often where the latent is active have a weight above 0. `evidence(weights, sees, snippets)` adds up, for each new snippet, the weights of the words in it.
#
# ### Exercise 1 · choose a rule, then sort (12 minutes, medium)
#
# Which of the three rules suits a latent? Do not ask this on the snippets that the weights were made from: there, rare words explain themselves. Fit on one half, and choose on the other half.
# Also given: `auc(scores, labels)`, for labels 0 and 1: how often an active snippet gets more evidence than another one.


# %% tags=["exercise:utils.features.dashboards.sort_snippets"]
def sort_snippets(
    active: Sequence[Marked],
    others: Sequence[Marked],
    snippets: Sequence[Marked],
    rules: Mapping[str, Callable[[Marked], Sequence[str]]],
) -> tuple[str, Float[Tensor, " snippet"]]:
    """Choose the best rule on snippets that it was not fitted on; then judge new ones with it.

    Words get their weights by `describe`, and snippets their evidence by `evidence`.

    Args:
        active: the latent is active at their marked tokens. Fit on the first, third, fifth, ... of
            these and of `others`, choose by the AUC on the rest, then fit the best rule on all.
        others: snippets marked at random.
        snippets: the new ones.
        rules: name -> what the rule sees of a snippet.

    Returns:
        The chosen rule's name (of equals, the first), and the evidence for each of `snippets`.
    """
    ### BEGIN SOLUTION

    def left_out(sees):
        weights = describe(active[::2], others[::2], sees)
        parts = [evidence(weights, sees, part[1::2]) for part in (active, others)]
        labels = torch.tensor([1] * len(parts[0]) + [0] * len(parts[1]))
        return auc(torch.cat(parts), labels)

    best = max(rules, key=lambda name: left_out(rules[name]))
    return best, evidence(describe(active, others, rules[best]), rules[best], snippets)
    ### END SOLUTION


# %% tags=["check"]
sort_snippets = lesson_43.check_sort_snippets(sort_snippets)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For one rule: weights from `active[::2]` and `others[::2]`, then the evidence for both kinds of snippets that were left out. Put both kinds into one tensor for `auc`, with labels 1 and 0.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `active[1::2]` and `others[1::2]` were left out. `max(rules, key=...)` takes the first of equals. Do not forget to fit the chosen rule again on all.
#
# </details>


# %%
def plain_snippets(texts, n: int, *, seed: int = 0) -> list[Snippet]:
    """Snippets marked at random tokens."""
    found = []
    for position in torch.randperm(len(texts.tokens), generator=seeded(seed))[:n].tolist():
        around, at = texts.around(position, before=20, after=20)
        tokens = [latents.vocabulary[i] for i in texts.tokens[around].tolist()]
        found.append(Snippet(tokens, [0.0] * len(tokens), at))
    return found


def by_machine(latent: int) -> tuple[str, str]:
    """The rule that the machine chooses for a latent, and the words that speak for it most."""
    card, others = latents.card(latent, n=10), plain_snippets(reading.texts, 150)
    examples = [*card.top, *card.middle, *card.bottom]
    rule, _ = sort_snippets(examples, others, examples, RULES)
    weights = describe(examples, others, RULES[rule])
    return rule, ", ".join(map(repr, sorted(weights, key=weights.get, reverse=True)[:6]))


plots.table(
    [(latent, *by_machine(latent)) for latent in [*FAMOUS, *latents.draw(4, generator=seeded(0))]],
    columns=["latent (the last four are drawn at random)", "rule", "words"],
)

# %% [markdown]
# That is what the machine would write. Some of it fits the card. For others, none of the rules suits: compare a row with the card of that latent. Now let it play 250 rounds with SAE latents and 250 with the control, with up to 30 examples each. It says "active" of the five snippets with most evidence.

# %%
predict(
    "43.control",
    "Whose held-out snippets does the machine sort better?",
    choices=["SAE latents", "the control", "no clear difference"],
)


# %%
def played(splits, who: str, n: int = 250) -> tuple[Tensor, list[str]]:
    """Of each round the share of snippets that the machine sorted right, and its rule."""
    others, right, names = plain_snippets(splits[0].texts, 150), [], []
    for each in rounds(splits, who, n, n_examples=30):
        name, judged = sort_snippets(each.examples, others, each.snippets, RULES)
        said = torch.zeros(10, dtype=torch.bool)
        said[torch.as_tensor(judged).topk(5).indices] = True
        right.append((said == torch.tensor(each.active)).float().mean())
        names.append(name)
    return torch.stack(right), names


def interval(values: Tensor) -> tuple[float, float, float]:
    """A mean over rounds, and its 95% interval."""
    middle, wide = values.mean().item(), 1.96 * values.std().item() / len(values) ** 0.5
    return middle, middle - wide, middle + wide


def gap(one: Tensor, two: Tensor) -> tuple[float, float, float]:
    """The difference of two means over different latents, and its 95% interval."""
    middle = (one.mean() - two.mean()).item()
    wide = 1.96 * (one.var() / len(one) + two.var() / len(two)).sqrt().item()
    return middle, middle - wide, middle + wide


def shown(value) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(*value)


SOURCES = {"latents": "SAE latents", "control": "vectors of its own stream"}
scores, rules = {}, {}
for who in SOURCES:
    scores["trained", who], rules[who] = played(splits, who)
ahead = gap(scores["trained", "latents"], scores["trained", "control"])
clear = ahead[1] > 0 or ahead[2] < 0
outcome(
    "43.control",
    "no clear difference" if not clear else "SAE latents" if ahead[0] > 0 else "the control",
)
often = {who: drawn_from(splits, who, 250)[1] for who in SOURCES}
alike = {who: scores["trained", who][(n >= 50) & (n <= 200)] for who, n in often.items()}
plots.table(
    [
        (name, *(shown(interval(each)) for each in (scores["trained", who], alike[who])))
        + tuple(rules[who].count(rule) for rule in RULES)
        for who, name in SOURCES.items()
    ],
    columns=["source", "sorted right (95% interval)", "of these, active at 50 to 200 tokens"]
    + [f"chose {rule}" for rule in RULES],
)

# %% [markdown]
# The machine sorts **66%** of the snippets of SAE latents right, and **76%** of those of the control. Guessing gets `50%`, so the descriptions of both hold on new text. But word lists describe directions
# that no dictionary's training chose *better*, and among those that are active about as often, too. So a high score of this kind would not show that the SAE found anything. (The stream itself is a trained model's. What the control lacks is the SAE's training.)
#
# This does not say that the latents mean nothing. A latent may respond to something that no list of words says, and five of the ten snippets come from all parts of its range, the weak end too. How did *you* do in two rounds of each kind?

# %% tags=["numbers"]
mine, control = (interval(scores["trained", who]) for who in SOURCES)
claim("trained model, SAE latents sorted right, %", 100 * mine[0], text=66, within=5)
claim("trained model, control sorted right, %", 100 * control[0], text=76, within=4)
assert ahead[2] < 0 and mine[1] > 0.5
assert gap(alike["latents"], alike["control"])[2] < 0

# %% [markdown]
# ## 4. Audit: a model that never learned
#
# The second control is another model. Heap and colleagues (arXiv 2501.17727) trained SAEs on transformers with **random weights**, and asked whether scores of descriptions can tell these from trained ones. What should such a model keep, so that the comparison is fair? The sizes of its weights matter: where all have a deviation of `0.02`, a usual start of a training, attention is nearly uniform.
# So they drew each matrix anew with its **own trained mean and standard deviation**; in the variant that we follow, the embeddings stay. (We also keep the norms' weights. Our sources do not say what they did with them.)
#
# ### Exercise 2 · the random twin (10 minutes, medium)
#
# `model.blocks.parameters()` gives all weights of the blocks, one tensor at a time; matrices have two axes. `copy.deepcopy(model)` copies a model. Writing into a weight needs `torch.no_grad()`.


# %% tags=["exercise:utils.features.twin.matched_random"]
def matched_random(model, *, seed: int):
    """A copy of a model whose blocks' matrices are redrawn: arXiv 2501.17727, embeddings kept.

    Every number of a matrix comes from a Gaussian with the trained matrix's own mean and standard
    deviation. Embeddings, the unembedding, norms and biases stay as they are.

    Args:
        model: a bridge, which stays as it is.
        seed: of the draws, which are made on the CPU in the order of `model.blocks.parameters()`.
    """
    ### BEGIN SOLUTION
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for weight in twin.blocks.parameters():
        if weight.ndim == 2:
            noise = torch.randn(weight.shape, generator=generator).to(weight)
            with torch.no_grad():
                weight.copy_(weight.mean() + weight.std() * noise)
    return twin
    ### END SOLUTION


# %% tags=["check"]
matched_random = lesson_43.check_matched_random(matched_random)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Copy first, then go through the copy's blocks. A weight with one axis belongs to a norm, or is a bias: leave it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# One generator for all matrices, made *before* the loop. `torch.randn(weight.shape, generator=generator)` has mean 0 and deviation 1: multiply by `weight.std()`, add `weight.mean()`, and write it in place with `weight.copy_(...)`.
#
# </details>

# %% [markdown]
# Is the twin a good control? Two measurements on held-out text, beside the default start: its loss (`10.8` is uniform guessing), and how spread its attention is in block 14, the entropy as a share of uniform attention's.

# %% tags=["folded"]
# The three models on four texts.
twin = matched_random(model, seed=0)
default = matched_random(model, seed=1)
with torch.no_grad():
    for weight in [*default.blocks.parameters(), default.embed.weight]:
        if weight.ndim == 2:
            weight.copy_(0.02 * torch.randn(weight.shape, generator=seeded(0)))
PATTERN = "blocks.14.attn.hook_pattern"


@torch.no_grad()
def looked_at(model) -> tuple[float, float]:
    """Loss, and spread of attention."""
    losses, spreads = [], []
    for i in range(4):
        row = held_out.texts.tokens[held_out.texts.text == i]
        tokens = torch.cat([torch.tensor([model.tokenizer.bos_token_id]), row])[None].to(device)
        logits, cache = model.run_with_cache(tokens, names_filter=[PATTERN])
        losses.append(torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:]))
        pattern = cache[PATTERN][0, :, 1:]  # the first position can only look at itself
        entropy = -(pattern * pattern.clamp(min=1e-9).log()).sum(-1)
        n = torch.arange(2, tokens.shape[1] + 1, device=entropy.device)
        spreads.append((entropy / n.log()).mean())
    return torch.stack(losses).mean().item(), torch.stack(spreads).mean().item()


MODELS = {"trained": model, "matched random": twin, "default start": default}
looks = {name: looked_at(each) for name, each in MODELS.items()}
plots.table(
    [(name, *(f"{value:.2f}" for value in look)) for name, look in looks.items()],
    columns=["model", "loss, nats", "spread of attention"],
)

# %% [markdown]
# With the default start every position attends to all earlier ones alike, so each block adds the same mean of the past. That is too easy a control. The twin's attention is as concentrated as the trained model's, on positions that no training chose.
# Neither random model predicts text: both losses are above that of uniform guessing.

# %% tags=["numbers"]
spread = {name: look[1] for name, look in looks.items()}
assert spread["default start"] > 0.95 and spread["matched random"] < 0.8
assert min(looks["matched random"][0], looks["default start"][0]) > 10.8 > looks["trained"][0]

# %% [markdown]
# An SAE was trained on this twin's stream, on the same texts with the same settings (`data/sae/matched`). First, how well does it explain that stream? A dictionary of 4,608 random directions is the reference.

# %%
reports = {
    name: json.loads((SAES / folder / "report.json").read_text())["explained"]
    for name, folder in (("trained", "smollm2"), ("matched random", "matched"))
}
plots.table(
    [
        (name, *(f"{each[k]:.2f}" for k in ("sae", "random dictionary")))
        for name, each in reports.items()
    ],
    columns=["model", "variance explained by its SAE", "by random directions"],
)

# %% [markdown]
# The twin's SAE explains little more than random directions do: it found little sparse structure in that stream. Now it plays the same game, against vectors of *its own* stream.

# %%
predict(
    "43.twin",
    "How many of the snippets of the *random* model's SAE latents does the machine sort right?",
    choices=["about 50%: chance", "about 58%", "about 66%, as in the trained model", "about 75%"],
)

# %%
twin_splits = [load_split(SAES / "matched", split) for split in ("reading", "held_out")]
for who in SOURCES:
    scores["random", who], _ = played(twin_splits, who)
gaps = {
    kind: gap(scores[kind, "latents"], scores[kind, "control"]) for kind in ("trained", "random")
}
twins_own = scores["random", "latents"].mean()
levels = {"about 50%: chance": 0.54, "about 58%": 0.62, "about 66%, as in the trained model": 0.7}
outcome("43.twin", next((name for name, top in levels.items() if twins_own < top), "about 75%"))
plots.intervals(
    {
        f"{kind} model": {name: interval(scores[kind, who]) for who, name in SOURCES.items()}
        for kind in ("trained", "random")
    },
    title="In both models, word lists describe vectors of the stream better than SAE latents (line: chance)",
    marks={"trained model": 0.5, "random model": 0.5},
    alike=["trained model", "random model"],
)

# %% [markdown]
# Compare the SAE latents of the two panels first. Those of the trained model are sorted better; those of the random model are sorted no better than chance. It would be natural to conclude that the SAE has found what the model learned.
#
# The vectors show why this does not follow. They fall from the trained to the random model as well, and no dictionary was trained for them. So a lower score in a random model tells you about the two *models*: text leaves
# clearer marks in the trained one. To show more than that by this score, an SAE's latents would have to be ahead of vectors of their own stream. In both models they are behind. (This is one twin, and one SAE of each model.)
#
# **Did the paper replicate?** In `Pythia-6.9b`, Heap and colleagues found random variants that scored *higher* than the trained model (table below). In their smallest model, Pythia-70m, the trained model scored higher, and in SmolLM2 with its 135M parameters it does too.
# So here the score does tell trained from random; theirs did not in the larger model. Our protocol differs in much: word lists instead of a large language model as a judge, sorting instead of their "fuzzing" (the judge says whether marked words fit the description), a smaller SAE on less text, one layer, one twin. The comparison with vectors of the same stream is ours, and not theirs.

# %% tags=["numbers"]
assert gaps["trained"][2] < 0 and gaps["random"][2] < 0
between = {who: gap(scores["trained", who], scores["random", who]) for who in SOURCES}
assert between["latents"][1] > 0 and between["control"][1] > 0
assert interval(scores["random", "latents"])[1] < 0.52 and twins_own < 0.54
assert interval(scores["random", "control"])[1] > 0.5
explained = reports["matched random"]
assert (
    explained["sae"] - explained["random dictionary"] < 0.15 < 0.4 < reports["trained"]["sae"] - 0.4
)

# %% [markdown]
# ## 5. A mystery
#
# ### Investigation · which latent steered this? (10 minutes, medium)
#
# The model went on with four harmless prompts while the direction of **one unknown latent** was added to the residual stream before block 15. Read what it wrote. Then find the latent's number with the explorer.
# Searches and cards are free, and several latents look alike. You may *test* **three** candidates with `written(number)`, so choose them by their cards.

# %%
PROMPTS = ["I went to the", "My friend told me", "On Monday we were", "She looked at the"]
norm = typical_norm(model, PROMPTS, layer=LAYER)


def write(model, prompts: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch longer"]:
    """The prompts with 25 new tokens at their ends."""
    new = sample(model, prompts, n_tokens=25, generator=seeded(0))
    return torch.cat([prompts, new.to(prompts)], dim=1)


def written(latent: int, *, dose: float = 0.4) -> str:
    """How the model goes on with the prompts while a latent's direction is added."""
    prompts = model.to_tokens(PROMPTS)  # five tokens each
    with steer(model, dose * norm * sae.W_dec[latent], layer=LAYER):
        return "\n\n".join(model.to_string(row[1:]) for row in write(model, prompts))


print(written(lesson_43.mystery_latent()))

# %% tags=["answer:mystery"]
### BEGIN SOLUTION
mystery = (3846,)
### END SOLUTION

# %% tags=["check"]
mystery = lesson_43.check_mystery(mystery)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Which words come back in several texts, and would not come without steering? Search for single words, and compare the cards of the first few hits: which card fits *all* of these words?
#
# </details>
# <details><summary>Hint 2</summary>
#
# A latent for one word would bring this word again and again. These texts have several words for one kind of thing.
#
# </details>

# %% tags=["numbers"]
assert mystery == (lesson_43.mystery_latent(),)
# Chosen so: the second hit, so that it has a rival.
assert mystery == (latents.search("sea")[1].latent,)

# %% [markdown]
# ## Going deeper: ablate a latent that you found
#
# So far you looked at what latents respond to. Does the model *use* them? Put a latent of yours into `FOUND`, and a text in which it is active.
#
# ### Exercise 3 · ablate (15 minutes, medium)
#
# Encode the stream in a hook, and subtract only what this one latent adds: its activation times its direction. Do not put the reconstruction in the stream's place: what the SAE does not explain
# would be lost with it. The SAE was trained without BOS, so position 0 stays as it is.


# %% tags=["exercise:utils.features.dashboards.ablate_latent"]
def ablate_latent(
    model, sae: torch.nn.Module, tokens: Int[Tensor, "batch pos"], latent: int, *, layer: int
) -> Float[Tensor, "batch pos d_vocab"]:
    """How much each next token's log probability changes when one latent is ablated.

    Only what this latent adds to the reconstruction is taken out of the residual stream before
    block `layer`. All else stays, and so does what the SAE does not explain. BOS keeps its vector.

    Args:
        tokens: with BOS in front.
    """
    ### BEGIN SOLUTION

    def subtract(resid, hook):
        acts = sae.encode(resid[:, 1:])[..., latent]
        resid = resid.clone()
        resid[:, 1:] -= acts[..., None] * sae.W_dec[latent]
        return resid

    hooks = [(f"blocks.{layer}.hook_resid_pre", subtract)]
    with torch.no_grad():
        before = model(tokens).log_softmax(-1)
        return model.run_with_hooks(tokens, fwd_hooks=hooks).log_softmax(-1) - before
    ### END SOLUTION


# %% tags=["check"]
ablate_latent = lesson_43.check_ablate_latent(ablate_latent)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `sae.encode(resid)` is [batch, pos, d_sae]; one latent of it is [batch, pos]. Give it a last axis, and multiply by `sae.W_dec[latent]`, [d_model].
#
# </details>
# <details><summary>Hint 2</summary>
#
# Run the model twice, without the hook and with it at `f"blocks.{layer}.hook_resid_pre"`. `logits.log_softmax(-1)` of both; after minus before. Change a clone in the hook, and return it.
#
# </details>

# %%
TEXT = SOUGHT["army"]
FOUND = found["army"]  # put a number here that you found, and a TEXT of your own

tokens = model.to_tokens(TEXT)
with torch.no_grad():
    logits, cache = model.run_with_cache(tokens)
acts = sae.encode(cache[f"blocks.{LAYER}.hook_resid_pre"][0])[:, FOUND]
at = int(acts[1:].argmax()) + 1
change = ablate_latent(model, sae, tokens, FOUND, layer=LAYER)[0, at]
likely = logits[0, at].topk(50)
print(f"latent {FOUND} is strongest ({acts[at]:.1f}) at {model.to_string(tokens[0, at])!r}")
plots.table(
    [
        (repr(model.to_string(likely.indices[i])), f"{change[likely.indices[i]]:+.2f}")
        for i in change[likely.indices].argsort()[:6].tolist()
    ],
    columns=["of the 50 likeliest next tokens, those that lose most", "change of log probability"],
)

# %% [markdown]
# One text is an anecdote. So take 16 latents drawn at random, each in the held-out text where it is strongest. The size of an effect is the KL divergence at that token: how far the distribution of the next token moves,
# in nats. The control has the same text and the same lengths: wherever the latent is active, subtract as long a vector along the direction of another latent, which is active at that token too.


# %%
def effects(latent: int, *, generator) -> tuple[float, float]:
    """KL divergence after ablating a latent, and after as long changes along another one."""
    here = int(held_out.latents.of([latent])[:, 0].argmax())
    around, at = held_out.texts.around(here, before=30, after=0)
    bos = torch.tensor([model.tokenizer.bos_token_id])
    row, at = torch.cat([bos, held_out.texts.tokens[around]])[None].to(device), at + 1
    name = f"blocks.{LAYER}.hook_resid_pre"
    with torch.no_grad():
        logits, cache = model.run_with_cache(row, names_filter=[name])
        acts, rival = sae.encode(cache[name][0, at]), copy.deepcopy(sae)
        acts[latent] = 0
        active = (acts > 0).nonzero()[:, 0]
        other = active[torch.randint(len(active), (1,), generator=generator).item()]
        rival.W_dec[latent] = sae.W_dec[other]  # the same activation, along another direction
    before = logits[0, at].log_softmax(-1)
    changes = (ablate_latent(model, each, row, latent, layer=LAYER)[0, at] for each in (sae, rival))
    return tuple(-(before.exp() * change).sum().item() for change in changes)


generator = seeded(0)
able = (held_out.latents.density > 0) & (latents.counts >= 20)
drawn = able.nonzero()[:, 0][torch.randperm(int(able.sum()), generator=seeded(3))[:16]].tolist()
moved = torch.tensor([effects(latent, generator=generator) for latent in drawn])
own_more = (moved[:, 0] > moved[:, 1]).sum().item()
print(f"the latent has more effect than its control in {own_more} of {len(drawn)} cases")
plots.table(
    [
        (name, f"{column.median():.3f}", f"{column.mean():.3f}", f"{column.max():.2f}")
        for name, column in zip(("the latent", "another active latent"), moved.T, strict=True)
    ],
    columns=["subtracted", "KL, median", "mean", "largest"],
)

# %% [markdown]
# The ablation does change what the model says next, and what loses most can be read in the table. (That is one text, and no test of the card.) But a change of the same lengths along another active latent has an effect of the same order.
# With 16 cases we cannot tell the two apart. So an effect of an ablation is no evidence for a direction until it is compared with one as long. Whether the *right* words lose is another question, and takes a description to test.

# %% tags=["numbers"]
assert 4 <= own_more <= 12
assert 0.2 < moved[:, 0].median() / moved[:, 1].median() < 5

# %% [markdown]
# ## Going deeper: steer with it, and ask for it in words
#
# Steering adds the latent's direction while the model writes. Two things are measured on what it wrote, both by the *unsteered* model, which reads it: **effect**, the latent's own mean activation at the new tokens, and **coherence**, the loss of
# the new tokens. Low loss means text that the model finds ordinary.
#
# ### Exercise 4 · steer and read (15 minutes, medium)


# %% tags=["exercise:utils.features.dashboards.steer_and_read"]
def steer_and_read(
    model,
    sae: torch.nn.Module,
    prompts: Int[Tensor, "batch pos"],
    latent: int,
    *,
    change: Float[Tensor, " d_model"],
    layer: int,
    write: Callable[..., Int[Tensor, "batch longer"]],
) -> Steered:
    """Steer while the model writes; then let the unsteered model read what was written.

    Args:
        change: added to the residual stream before block `layer`, at every position, while
            `write` runs and not after.
        write: `write(model, prompts)` gives the prompts with new tokens at their ends.

    Returns:
        `Steered(tokens, effect, loss)`: the texts, [batch, pos]; and over the new tokens of each,
        the latent's mean activation, [batch], and the mean loss in nats, [batch].
    """
    ### BEGIN SOLUTION
    with steer(model, change, layer=layer):
        tokens = write(model, prompts)
    n, name = prompts.shape[1], f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens, names_filter=[name])
    effect = sae.encode(cache[name][:, n:])[..., latent].mean(1)
    log_probs = logits[:, n - 1 : -1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, n:, None])[..., 0].mean(1)
    return Steered(tokens, effect, loss)
    ### END SOLUTION


# %% tags=["check"]
steer_and_read = lesson_43.check_steer_and_read(steer_and_read)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two runs: the first inside `with steer(model, change, layer=layer):`, where `write` does its work; the second after it, with a cache, on all that was written.
#
# </details>
# <details><summary>Hint 2</summary>
#
# With `n` tokens of prompt, the new ones are at positions `n` and later, and the logits that foretell them at `n - 1` and later, without the last. `logits.log_softmax(-1).gather(-1, tokens[..., None])` picks the written ones.
#
# </details>

# %% [markdown]
# Beside it stand a random direction of the same length as a control, and a rival without any steering: a **prompt** that asks for the topic in words. The dose is in units of the stream's typical length at block 15.

# %%
predict(
    "43.prompt",
    "What has more effect on the latent's activation in the new text?",
    choices=["steering at dose 0.2", "the prompt", "no clear difference"],
)

# %%
TOPIC = "war and soldiers"  # what your latent is about, in words
OPENING, ROWS = "One day", 12
prompts = model.to_tokens(OPENING).repeat(ROWS, 1)
asked = model.to_tokens(f"Tell me a story about {TOPIC}.\n\n{OPENING}").repeat(ROWS, 1)


def write_as_asked(model, prompts):
    """What the model writes after the request, put after the plain prompt."""
    return torch.cat([prompts, write(model, asked)[:, asked.shape[1] :]], dim=1)


direction, still = sae.W_dec[FOUND], torch.zeros_like(sae.W_dec[FOUND])
noise = random_directions(1, direction, generator=seeded(0))[0]
read = partial(steer_and_read, model, sae, prompts, FOUND, layer=LAYER)
runs = {
    "unsteered": read(change=still, write=write),
    "prompt": read(change=still, write=write_as_asked),
}
for dose in (0.2, 0.4):
    runs[f"latent, dose {dose}"] = read(change=dose * norm * direction, write=write)
    runs[f"random direction, dose {dose}"] = read(change=dose * norm * noise, write=write)
versus = gap(runs["latent, dose 0.2"].effect, runs["prompt"].effect)  # of about the same loss
clear = versus[1] > 0 or versus[2] < 0
outcome(
    "43.prompt",
    "no clear difference"
    if not clear
    else "steering at dose 0.2"
    if versus[0] > 0
    else "the prompt",
)
for name in ("unsteered", "latent, dose 0.4", "prompt"):
    print(f"{name}: {model.to_string(runs[name].tokens[1, 1:])!r}")
plots.table(
    [
        (name, shown(interval(run.effect.cpu())), shown(interval(run.loss.cpu())))
        for name, run in runs.items()
    ],
    columns=["", "effect: activation (95% interval over texts)", "loss of the text, nats"],
)

# %% [markdown]
# At the larger dose the latent's own activation is far above that of unsteered text; with the random direction it is not. It costs coherence: the loss rises, and the text shows why. Read it.
#
# Now compare the dose `0.2` with the prompt. With twelve texts their effects cannot be told apart, although this measure is the one most favourable to steering with that latent. On Gemma-2 2B and 9B, with judges who read for the concept, AxBench (arXiv 2501.17148)
# found prompting ahead of SAE latents. Our run can neither confirm nor contradict that. Repeat the comparison with a latent of yours, and with more texts (`ROWS`).

# %% tags=["numbers"]
strong = runs["latent, dose 0.4"]
assert gap(strong.effect, runs["unsteered"].effect)[1] > 0
assert gap(strong.effect, runs["random direction, dose 0.4"].effect)[1] > 0
assert gap(strong.loss, runs["unsteered"].loss)[1] > 0
assert versus[1] < 0 < versus[2]

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "descriptions by word lists: snippets sorted right",
            shown(interval(scores["trained", "latents"])),
            shown(interval(scores["trained", "control"])) + ", vectors of the stream",
            "",
        ),
        (
            "the same in the random model",
            shown(interval(scores["random", "latents"])),
            shown(interval(scores["random", "control"])) + ", vectors of its stream",
            "fuzzing AUROC: Pythia-6.9b trained .79, random .87 to .88; Pythia-70m trained .63, random .50 (Heap et al.)",
        ),
        (
            "KL divergence when a latent is ablated, median (nats)",
            f"{moved[:, 0].median():.3f}",
            f"{moved[:, 1].median():.3f}, another active latent of that length",
            "",
        ),
        (
            "steering, effect at dose 0.2",
            shown(interval(runs["latent, dose 0.2"].effect)),
            f"{runs['random direction, dose 0.2'].effect.mean():.1f}, random direction; {shown(interval(runs['prompt'].effect))}, prompt",
            "prompting ahead of SAE latents, Gemma-2 2B and 9B (AxBench)",
        ),
    ],
    columns=["", "ours (SmolLM2-135M-Instruct)", "control", "paper's, with its model"],
)

# %% [markdown]
# ## Questions that newcomers ask
#
# - **Should an SAE beat a probe?** Not where you have labels. Kantamneni and colleagues (arXiv 2502.16681) compared the two on 113 data sets: with probes on SAE latents added, a set of good probes on the stream was no better. An SAE proposes
#   directions when you do not know what to look for.
# - **Would another seed find the same latents?** Only some. Paulo and Belrose (arXiv 2501.16615) found 30% shared between seeds, in an SAE with 131,000 latents of an MLP of Llama 3 8B.
# - **Do features survive fine-tuning?** SAEs of a base model reconstructed the chat model's stream well in `Mistral-7B` and `Qwen 1.5 0.5B`, and not in `Gemma 2B` (Kissane and colleagues, *SAEs (usually) transfer between base and chat models*, 2024). That a latent still *means* the same has to be tested latent by latent, as here.
# - **Where can I look at larger models?** Neuronpedia shows the latents of Gemma Scope (arXiv 2408.05147) and many others, with cards like yours.
#
# ## Questions to discuss
#
# 1. You read a paper with ten beautiful cards. What do you ask first?
# 2. Which rule would you add to the machine's three, and which latents of the random draw would it help?
# 3. Vectors of the stream win the game. Would you use them instead of an SAE? For what would they be worse?
# 4. A latent steers well and is hard to describe. Is it a feature?
# 5. Build a control that SAE latents should beat. What would it show if they did?
#
# ## Common mistakes
#
# - Judging a latent by its strongest examples alone.
# - Writing and testing a description on the same text.
# - Comparing an SAE with random directions in all of space: they lie where no vector of the stream lies.
# - Comparing two models' SAEs without a control in each model.
# - Putting the reconstruction in the stream's place when one latent should be ablated.
# - Measuring a steered text with the steered model.
#
# ## Where this breaks
#
# One SAE of one layer of a small model, trained on text of that model's own making. The machine's descriptions are lists of words: a good reader or a large language model writes better ones, and might favour the latents. The control's 400 directions come from
# one draw. The twin is one draw of random weights, and its norms' weights are trained ones.
#
# ## Further reading
#
# - Bricken et al. (2023), *Towards Monosemanticity*, and Templeton et al. (2024), *Scaling Monosemanticity* (transformer-circuits.pub)
# - Heap, Lawson, Farnik and Aitchison (2025), *Automated Interpretability Metrics Do Not Distinguish Trained and Random Transformers*, arXiv 2501.17727
# - Paulo et al. (2024), *Automatically Interpreting Millions of Features in Large Language Models*, arXiv 2410.13928
# - Wu et al. (2025), *AxBench*, arXiv 2501.17148
# - Karvonen et al. (2025), *SAEBench*, arXiv 2503.09532
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.2 · Sparse autoencoders](42_sparse_autoencoders.ipynb) | **Next:** [4.4 · Transcoders and attribution graphs](44_attribution_graphs.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/42_sparse_autoencoders.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/44_attribution_graphs.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("43")
