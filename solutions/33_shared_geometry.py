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
# # 3.3 · Shared geometry: moving a steering vector to another model
#
# [![Open lesson 3.3 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/33_shared_geometry.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [3.2 · The emotion circle](32_emotion_circle.ipynb) | **Next:** [4.1 · Superposition](41_superposition.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/32_emotion_circle.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. compare the word embeddings of two models that have no coordinate in common, and build the controls for it;
# 2. fit a linear map between two models, and test it on words that it was not fitted on;
# 3. move a steering vector through that map, read it and steer with it in the second model, and find what does as well without a map.
#
# **Time** 80 minutes for the core, and 45 minutes for *Going deeper*. **Needs** lesson 3.1: steering vectors, dose; 2.1: difference of means.
# **Runs** in about a minute and a half on a laptop's processor.
#
# **First, play.** The next cell but one takes a steering vector from SmolLM2. A linear map carries it into `wide`, another language model, with 128 numbers in its stream where SmolLM2 has 576. On the left `wide` writes with that vector added; on the right with the same vector, moved by a map that was fitted on wrong pairs of words. Change the concept and the dose, and press *write*.

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
# The imports, the models, the words, a first map; and two texts.
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.concepts import task as concepts
from data.gemma_rows import task as gemma_rows
from utils import activations, generation, plots, steering
from utils.checks import lesson_33
from utils.checks.predict import outcome, predict
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap
from utils.writing import figures, geometry
from utils.writing.geometry import lle_weights, read_both, unit_rows

big, wide, narrow = load(), load("stories/wide"), load("stories/narrow")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mean_difference(model, concept: str) -> Tensor:
    """A concept's vector at the full stop, at every layer, [layer, d_model]."""
    sides = zip(*concepts.pairs(concept, part="fit"), strict=True)
    first, second = (activations.activations(model, list(side)) for side in sides)
    return (first - second).mean(1)


words, counts, gemma = gemma_rows.words()  # words of SmolLM2 and Gemma, most frequent first
E = {"SmolLM2": geometry.rows_of(big, words), "Gemma": gemma}  # [word, d_model]
known = geometry.vocabulary(wide)  # the same in narrow
story = torch.tensor([i for i, word in enumerate(words) if word in known])
for name, model in (("wide", wide), ("narrow", narrow)):
    E[name] = geometry.rows_of(model, [words[i] for i in story])
unrated = gemma_rows.ratings(words) == 0  # words without a rating of feeling
LAYER = 24  # of SmolLM2, the stream before this block
vectors = {name: mean_difference(big, name)[LAYER] for name in concepts.CONCEPTS}
RIDGE = {"Gemma": 0.1, "wide": 0.3, "narrow": 0.3}

a, b = E["SmolLM2"][story], E["wide"]
to_wide, at_random = (
    geometry.fit_map(a, right, ridge=0.3)
    for right in (b, b[torch.randperm(len(b), generator=seeded(0))])
)
unit = steering.typical_norm(wide, concepts.openings(part="choose"), layer=1)
start = torch.full((2, 1), wide.tokenizer.bos_token_id)


def write(concept: str, dose: float) -> tuple[str, str]:
    """What `wide` writes with the vector from SmolLM2, by the map and by a wrong one."""
    texts = []
    for T in (to_wide, at_random):
        v = steering.at_dose(vectors[concept] @ T, dose, norm=unit).to(wide.cfg.device)
        with steering.steer(wide, v, layer=1, positions=slice(1, None)):
            written = generation.sample(wide, start, n_tokens=40, generator=seeded(3))
        texts.append("\n\n".join(wide.tokenizer.batch_decode(written)))
    return texts[0], texts[1]


figures.side_by_side(
    write,
    names=("SmolLM2's vector", "by a wrong map"),
    concept=list(concepts.CONCEPTS),
    dose=(0.3, -0.5, 0.5, 0.1),
)

# %% [markdown]
# ## 1. Two spaces, one list of words
#
# A model's **embeddings** are a table, a row for each token. No coordinate of one model means anything in another. But both have a row for *ocean* and one for *ship*, so words can be matched by their **strings**. Four models meet here:
#
# | model | width | trained on |
# |---|---|---|
# | SmolLM2-135M | 576 | web text, by Hugging Face |
# | Gemma-3-270M | 640 | text that Google chose; here only its rows for the lesson's words |
# | `wide` and `narrow` | 128 and 64 | short texts that *SmolLM2 wrote*, by this course (`data/stories`) |
#
# Gemma is a real second model. `wide` and `narrow` are SmolLM2's pupils, a mild case of "another model", but small enough to steer on any laptop.
#
# `words` holds 4,499 whole words that SmolLM2 and Gemma both have as one token, and `counts` how often each occurs in this course's texts. `E["SmolLM2"]` and `E["Gemma"]` are their rows. The pupils have 2,276 of the words: `E["wide"]` and `E["narrow"]` go with `E["SmolLM2"][story]`.
#
# *Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms.* The rows come from 8-bit weights, taken out and rounded to 16 bits (`data/gemma_rows/README.md`); using them, you agree to those terms.
#
# Within a model there are angles, and these can be compared. Take the cosine of each pair of words in A, and of the same pairs in B: do they rise and fall together? Their Pearson correlation is **representational similarity analysis** (RSA; Kriegeskorte et al., 2008), and the "global" comparison of Lee and colleagues (arXiv 2503.21073), whose four claims this lesson tests.
#
# ### Exercise 1 · compare all pairs (10 minutes, medium)
#
# Embeddings share a large common mean, which says nothing about any single word: take it away first.


# %% tags=["exercise:utils.writing.geometry.rsa"]
def rsa(A: Float[Tensor, "word a"], B: Float[Tensor, "word b"]) -> float:
    """Pearson correlation of the cosines of all pairs of words in A with the same pairs in B.

    Each model's mean row is taken away first. Each pair counts once, and no word with itself.

    Args:
        A: the words' embeddings in one model.
        B: those in the other; b need not be a.
    """
    ### BEGIN SOLUTION
    rows, columns = torch.triu_indices(len(A), len(A), offset=1)
    pairs = []
    for E in (A, B):
        centred = E - E.mean(0)
        unit = centred / centred.norm(dim=-1, keepdim=True)
        pairs.append((unit @ unit.T)[rows, columns])
    return torch.corrcoef(torch.stack(pairs))[0, 1].item()
    ### END SOLUTION


# %% tags=["check"]
rsa = lesson_33.check_rsa(rsa)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `E.mean(0)` is the mean row. Divide each centred row by its length, and `unit @ unit.T` holds all cosines.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.triu_indices(n, n, offset=1)` gives the places above the diagonal, each pair once. `torch.corrcoef` of the two lists, stacked, is a 2 by 2 table; return the entry off its diagonal, with `.item()`.
#
# </details>

# %%
predict(
    "33.rsa",
    "On the same 2,276 words: with which model do SmolLM2's cosines correlate more? Gemma, from another company, or wide, which learnt from SmolLM2's own text?",
    choices=["much more with Gemma", "about alike", "much more with wide"],
)

# %% [markdown]
# A number needs controls. **Shuffled**: each word paired with another at random. **Gaussian**: random rows with the mean and covariance of the second model's, so the cloud's shape without its words. The third is yours to build.
#
# ### Exercise 2 · build the control (10 minutes, medium)
#
# Frequent words lie elsewhere than rare ones, in every model. If the agreement were only about frequency, it should survive when each word is paired with *another word of like frequency*. Shuffled pairs cannot show that. Build this pairing.


# %% tags=["exercise:utils.writing.geometry.like_frequency"]
def like_frequency(
    counts: Int[Tensor, " word"], *, generator: torch.Generator, window: int = 20
) -> Int[Tensor, " word"]:
    """For each word the index of *another* word of like frequency; each word is used once.

    Words are sorted from rare to frequent and cut into runs of `window` (the last run takes what is
    left over, so that it is not shorter). In each run every word is given the one that stands a few
    places further, and the last ones the first: by how many places, from 1 to the run's length less
    1, is drawn at random for each run.

    Args:
        counts: how often each word occurs.
        generator: of all that is drawn.
    """
    ### BEGIN SOLUTION
    order, other = counts.argsort(), torch.empty_like(counts)
    n_runs = max(len(counts) // window, 1)
    for i in range(n_runs):
        end = (i + 1) * window if i + 1 < n_runs else len(counts)
        run = order[i * window : end]
        by = int(torch.randint(1, len(run), (1,), generator=generator))
        other[run] = run.roll(-by)
    return other
    ### END SOLUTION


# %% tags=["check"]
like_frequency = lesson_33.check_like_frequency(like_frequency)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `order = counts.argsort()` lists the words from rare to frequent. A run is a slice of `order`, of `window` words; the last one goes to the end. Where fewer than `window` words are given, there is one run.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.randint(1, len(run), (1,), generator=generator)` draws the number of places, in the order of the runs. `run.roll(-by)` starts with the word that stood `by` places further, so `other[run] = run.roll(-by)`.
#
# </details>

# %% tags=["folded"]
# RSA of three pairs of models, and of three draws of each control.
A = E["SmolLM2"]
real = {
    "SmolLM2, Gemma": rsa(A[story], E["Gemma"][story]),
    "SmolLM2, wide": rsa(A[story], E["wide"]),
    "wide, narrow": rsa(E["wide"], E["narrow"]),
}
ahead = real["SmolLM2, Gemma"] - real["SmolLM2, wide"]
outcome(
    "33.rsa",
    "much more with Gemma"
    if ahead > 0.1
    else "much more with wide"
    if ahead < -0.1
    else "about alike",
)
g = E["Gemma"][story]
draws = {"shuffled": [], "Gaussian": [], "like frequency": []}
for seed in range(3):
    other = torch.randperm(len(g), generator=seeded(seed))
    draws["shuffled"].append(rsa(A[story], g[other]))
    draws["Gaussian"].append(rsa(A[story], geometry.gaussian_like(g, generator=seeded(seed))))
    other = like_frequency(counts[story], generator=seeded(seed))
    draws["like frequency"].append(rsa(A[story], g[other]))
means = {name: sum(each) / 3 for name, each in draws.items()}
plots.bars(
    real | {f"{name},<br>SmolLM2, Gemma": value for name, value in means.items()},
    dots={f"{name},<br>SmolLM2, Gemma": each for name, each in draws.items()},
    kinds={name: "pair" for name in real}
    | {f"{name},<br>SmolLM2, Gemma": "control" for name in means},
    title="Do two models hold the same pairs of words alike?",
    y="RSA (correlation)",
)

# %% [markdown]
# SmolLM2 agrees with Gemma at **0.56**, and with its own pupil `wide` at **0.23**. The pupils saw half a million words and start from other random numbers; they agree with each other (**0.79**) far more than with their teacher's embeddings. Half a million words of SmolLM2's text left them little like SmolLM2. Shuffled and Gaussian controls give `0.00`. Pairs of like frequency keep **0.05** (dots: three draws): frequency is shared, and it is a small part.
#
# Lee and colleagues find high correlations within a family of models (arXiv 2503.21073). Here the families differ. The number depends on the words: with all 4,499 it is **0.51**.

# %% tags=["numbers"]
claim("SmolLM2 and Gemma", real["SmolLM2, Gemma"], text=0.56, within=0.02)
claim("SmolLM2 and wide", real["SmolLM2, wide"], text=0.23, within=0.02)
claim("wide and narrow", real["wide, narrow"], text=0.79, within=0.02)
claim("like frequency", means["like frequency"], text=0.05, within=0.007)
assert max(abs(x) for name in ("shuffled", "Gaussian") for x in draws[name]) < 0.005
claim("all words", rsa(A, E["Gemma"]), text=0.51, within=0.02)

# %% [markdown]
# ## 2. A map from one space to the other
#
# If the two clouds of words have like shapes, some matrix T [a, b] may lay one on the other. Mikolov and colleagues (2013) did so between *languages*. Lee and colleagues' **Emb2Emb** fits T by least squares on two models' words.
#
# ### Exercise 3 · fit the map (5 minutes, easy)
#
# The docstring has the equation.


# %% tags=["exercise:utils.writing.geometry.fit_map"]
def fit_map(
    A: Float[Tensor, "word a"], B: Float[Tensor, "word b"], *, ridge: float = 0.0
) -> Float[Tensor, "a b"]:
    """T for which `(A - its mean row) @ T` is nearest to `B - its mean row`, by least squares.

    With a penalty on large weights, as in ridge regression: T solves
    `(a.T @ a + ridge * n * s * I) T = a.T @ b`, where a and b are A and B without their mean rows,
    n is the number of words, and s is the mean of all squared entries of a.

    A direction v of A, being a difference, is moved by `v @ T`: no mean is added.
    """
    ### BEGIN SOLUTION
    a, b = A - A.mean(0), B - B.mean(0)
    penalty = ridge * len(a) * a.square().mean()
    gram = a.T @ a + penalty * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    return torch.linalg.solve(gram, a.T @ b)
    ### END SOLUTION


# %% tags=["check"]
fit_map = lesson_33.check_fit_map(fit_map)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `a.T @ a` is [a, a]; add the penalty on its diagonal, with `torch.eye`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.linalg.solve(left, right)` solves `left @ T = right`. Give `torch.eye` the dtype of `a`.
#
# </details>

# %%
predict(
    "33.retrieval",
    "Words that the map to Gemma was not fitted on: for how many is the nearest of Gemma's 4,499 words the right one?",
    choices=["about 1%", "about 20%", "about 60%", "over 95%"],
)

# %% [markdown]
# `judge_map` is given. On held-out words it returns R² (the share of variance that is explained) and the share **retrieved**: the word's image is nearest, by cosine among all words, to the word itself. The penalty was chosen beforehand on splits of these same words, which matters little: to Gemma, more than 99% of the words are found with penalties from `0.01` to `0.3`. Beside it stands the **Procrustes** map (Schönemann, 1966), which may only turn and scale.

# %% tags=["folded"]
# Maps into each model on three splits: least squares, Procrustes, and two wrong pairings.
judged = {}
for name in ("Gemma", "wide", "narrow"):
    here = torch.arange(len(words)) if name == "Gemma" else story
    left, right, n = A[here], E[name], len(here)
    for seed in range(3):
        test, fit = torch.randperm(n, generator=seeded(seed)).split([n // 5, n - n // 5])
        shuffled = torch.randperm(len(fit), generator=seeded(seed))
        alike = like_frequency(counts[here][fit], generator=seeded(seed))
        made = {
            "least squares": fit_map(left[fit], right[fit], ridge=RIDGE[name]),
            "Procrustes": geometry.procrustes(left[fit], right[fit]),
            "shuffled pairs": fit_map(left[fit], right[fit][shuffled], ridge=RIDGE[name]),
            "like-frequency pairs": fit_map(left[fit], right[fit][alike], ridge=RIDGE[name]),
        }
        for how, T in made.items():
            got = geometry.judge_map(T, left, right, fit=fit, test=test)
            judged.setdefault((name, how), []).append(got)
fitted = {key: torch.tensor(each).mean(0).tolist() for key, each in judged.items()}
retrieved = fitted["Gemma", "least squares"][1]
outcome(
    "33.retrieval",
    "over 95%"
    if retrieved > 0.9
    else "about 60%"
    if retrieved > 0.4
    else "about 20%"
    if retrieved > 0.05
    else "about 1%",
)
plots.table(
    [
        (f"to {name}", how, f"{r2:.2f}", f"{100 * hit:.1f}%")
        for (name, how), (r2, hit) in fitted.items()
    ],
    columns=["map from SmolLM2", "fitted by", "R², held out", "right word retrieved"],
)

# %% [markdown]
# Of the held-out words, **99.7%** find themselves in Gemma. (Relatives such as a plural may be among the fitted words.) A linear map, fitted on 3,600 words, links the vocabularies of two models that share no weights and no makers. Maps of shuffled or like-frequency pairs retrieve next to nothing, and their R² is about 0 or below.
#
# R² is far from 1, though (**0.57**): much of a row's length is private to its model, and still the word is found. To `wide` the map retrieves **45%** with an R² of **0.30**.
#
# Least squares explains more variance than Procrustes in all three models. It may also shrink directions that it cannot predict, which a rotation cannot. (Into the narrower pupils either map has to drop directions.) Which one carries a steering vector better? Sections 3 and 4 answer differently.

# %% tags=["numbers"]
claim("retrieved in Gemma, %", 100 * retrieved, text=99.7, within=0.3)
claim("R2 to Gemma", fitted["Gemma", "least squares"][0], text=0.57, within=0.015)
claim("retrieved in wide, %", 100 * fitted["wide", "least squares"][1], text=45, within=4)
claim("R2 to wide", fitted["wide", "least squares"][0], text=0.30, within=0.02)
for (name, how), (r2, hit) in fitted.items():
    if "pairs" in how:
        assert r2 < 0.02 and hit < 0.01
    assert fitted[name, "least squares"][0] > fitted[name, "Procrustes"][0] + 0.1 or (
        how != "Procrustes"
    )

# %% [markdown]
# ## 3. What does the moved vector say?
#
# A steering vector is no embedding. `vectors["sea"]` is a difference of means of SmolLM2's stream before block 24: sentences about the sea minus sentences about the land. But the stream is read by the unembedding, which is the table of embeddings again (all four models tie the two). If the late stream still uses these coordinates, `v @ T` should *say* the same in Gemma as v says in SmolLM2. (No mean is added: v is a difference.)
#
# From here on T is fitted without any word that VADER, a list of words rated for feeling, has; so that no such word can carry sentiment by having been fitted.
#
# `read_both(v, moved, A, B, k=20)` is given. A word's score is the inner product of the direction with the word's embedding, centred and scaled to length 1, as in exercise 1. It returns the indices of the k highest words of v in A, those of `moved` in B, and the share of the k that both lists have.

# %% tags=["folded"]
# Each concept's vector in SmolLM2 and its image in Gemma, by least squares and by Procrustes.
left, right = A[unrated], E["Gemma"][unrated]
T = {
    "least squares": fit_map(left, right, ridge=RIDGE["Gemma"]),
    "Procrustes": geometry.procrustes(left, right),
}
wrong = []
for seed in range(20):
    other = like_frequency(counts[unrated], generator=seeded(seed))
    wrong.append(fit_map(left, right[other], ridge=RIDGE["Gemma"]))
anywhere = torch.randn(20, A.shape[1], generator=seeded(0))


def agree(v: Tensor, by: Tensor) -> float:
    """The share of 20 words that a vector and its image in Gemma have in common."""
    return read_both(v, v @ by, A, E["Gemma"], k=20)[2]


common = {
    concept: {how: agree(v, by) for how, by in T.items()}
    | {"wrong maps": [agree(v, by) for by in wrong]}
    for concept, v in vectors.items()
}
of_random = {how: [agree(v, by) for v in anywhere] for how, by in T.items()}


def spelt(found: list[int]) -> str:
    return " ".join(words[i][1:] for i in found[:8])


def said(concept: str) -> tuple:
    """A row of the table."""
    v, of = vectors[concept], common[concept]
    in_big, in_gemma, _ = read_both(v, v @ T["Procrustes"], A, E["Gemma"], k=20)
    shares = f"{of['least squares']:.2f}", f"{of['Procrustes']:.2f}", f"{max(of['wrong maps']):.2f}"
    return concept, spelt(in_big), spelt(in_gemma), *shares


plots.table(
    [said(concept) for concept in concepts.CONCEPTS]
    + [
        (
            "20 random directions: mean (highest)",
            *("", ""),
            *(f"{sum(x) / 20:.2f} ({max(x):.2f})" for x in of_random.values()),
            "",
        )
    ],
    columns=[
        "concept",
        "v in SmolLM2",
        "v moved into Gemma (Procrustes)",
        "of 20 in common: least squares",
        "Procrustes",
        "20 wrong maps, at most",
    ],
)

# %% [markdown]
# Of the twenty words of *sea*, **0.75** are the same in Gemma with Procrustes, and **0.50** with least squares; for *sentiment* **0.50** against **0.15**. So in Gemma the map with the better R² reads worse, for these three vectors. Maps of like-frequency pairs have at most `0.05` in common.
#
# The last row is a control on the vector's side. A *random* direction has top words too, and a good map carries those as well: `0.26` of them by Procrustes and `0.12` by least squares (means of 20; at most `0.50` and `0.25`). Only *sea* is above all random directions by both maps whichever twenty are drawn; for the other two it depends on the draw. So a match as such shows that the *map* works. Whether Gemma has a use for the direction needs a run of the second model.

# %% tags=["numbers"]
claim("sea, Procrustes", common["sea"]["Procrustes"], text=0.75, within=0.05)
claim("sea, least squares", common["sea"]["least squares"], text=0.50, within=0.05)
claim("sentiment, Procrustes", common["sentiment"]["Procrustes"], text=0.50, within=0.05)
claim("sentiment, least squares", common["sentiment"]["least squares"], text=0.15, within=0.02)
assert all(of["Procrustes"] > of["least squares"] + 0.1 for of in common.values())
assert max(max(of["wrong maps"]) for of in common.values()) <= 0.051
assert abs(sum(of_random["Procrustes"]) / 20 - 0.26) < 0.03 and max(of_random["Procrustes"]) < 0.56
assert all(common["sea"][how] > max(each) for how, each in of_random.items())
assert abs(sum(of_random["least squares"]) / 20 - 0.12) < 0.03
assert max(of_random["least squares"]) < 0.31

# %% [markdown]
# ## 4. Does it steer?
#
# Add the *sentiment* vector, moved by least squares, to `wide` and `narrow` (four blocks each) before block 1, while they continue neutral openings ("Last year they decided to"). The effect is the change of the **log-odds** of a positive next word against a negative one, over 54 pairs of words of like frequency. None begins like a word of the sentences that made the vector, and T never saw them.
#
# Layer 24 of SmolLM2, block 1 and the dose `0.25` (a quarter of the typical norm at that layer, lesson 3.1) are the same for all models and all rivals. They come from earlier runs in `wide`, and were not chosen again here.
#
# ### Exercise 4 · the steering run (15 minutes, medium)


# %% tags=["exercise:utils.writing.geometry.steering_effects"]
def steering_effects(
    model,
    vectors: Float[Tensor, "vector d_model"],
    measure: Callable[[], Float[Tensor, " pair"]],
    *,
    layer: int,
    norm: float,
) -> Float[Tensor, "vector pair"]:
    """By how much each vector changes what `measure` gives.

    The vector is added to the residual stream before block `layer`, at all positions but the first,
    BOS. No hook stays on the model.

    Args:
        vectors: of any length.
        measure: runs the model, and returns a number for each pair of words.
        norm: the length that every vector gets before it is added.
    """
    ### BEGIN SOLUTION
    place, plain, found = f"blocks.{layer}.hook_resid_pre", measure(), []
    for v in vectors:
        step = norm * v / v.norm()

        def add(resid, hook, step=step):
            out = resid.clone()
            out[:, 1:] += step.to(resid)
            return out

        with model.hooks(fwd_hooks=[(place, add)]):
            found.append(measure() - plain)
    return torch.stack(found)
    ### END SOLUTION


# %% tags=["check"]
steering_effects = lesson_33.check_steering_effects(steering_effects)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Measure once without a hook. Then for each vector: a hook function that returns a changed *copy* of the stream, `with model.hooks(fwd_hooks=[(place, hook)]):`, measure, and subtract.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The place is `f"blocks.{layer}.hook_resid_pre"`. `out = resid.clone()`, then `out[:, 1:] += step`, with `step = norm * v / v.norm()`. A function in a loop looks its variables up when it runs: run it inside the loop.
#
# </details>

# %% [markdown]
# The rivals, all made as long:
#
# - **controls**: 30 random directions; v moved by 20 maps of shuffled pairs and by 20 of like-frequency pairs;
# - **its own**: the model's own vector, from the same sentences at four fifths of its depth;
# - **bags of words**: the mean embedding of all words in the positive sentences minus that in the negative ones, with no layer run; SmolLM2's, moved by T, and the model's own;
# - **the words it says**: no map at all. `read_both` lists the 50 unrated words that v says most in SmolLM2, and for -v the 50 that it says least. In the other model, take the mean row of the first 50 minus that of the second.

# %%
predict(
    "33.rivals",
    "SmolLM2's vector moved into wide: which rivals does it pass (a 95% interval of the difference above 0)?",
    choices=[
        "not even the controls",
        "the controls, but not all the others",
        "all but the words it says",
        "all",
    ],
)

# %% tags=["folded"]
# All vectors into both pupils; Gemma as recorded by data/gemma_rows/make.py.
DOSE, INTO = 0.25, 1
v = vectors["sentiment"]
fit_pairs = concepts.pairs("sentiment", part="fit")
pairs = gemma_rows.word_pairs({words[i]: int(counts[i]) for i in story})
free = unrated[story]  # of the pupils' words
left, often = A[story][free], counts[story][free]
effects, measures, units, made_for = {}, {}, {}, {}
for name, model in (("wide", wide), ("narrow", narrow)):
    right = E[name][free]
    moving = partial(fit_map, ridge=RIDGE[name])
    by = moving(left, right)
    said, unsaid = (read_both(u, u @ by, left, right, k=50)[0] for u in (v, -v))
    others = {
        kind: torch.stack([draw(len(left), seed) for seed in range(20)])
        for kind, draw in {
            "shuffled": lambda n, seed: torch.randperm(n, generator=seeded(seed)),
            "like frequency": lambda n, seed: like_frequency(often, generator=seeded(seed)),
        }.items()
    }
    made = {
        "moved": v[None] @ by,
        "moved, Procrustes": v[None] @ geometry.procrustes(left, right),
        "its own": mean_difference(model, "sentiment")[[round(0.8 * model.cfg.n_layers)]],
        "bag, moved": geometry.bag_of_words(big, fit_pairs) @ by,
        "bag, own": geometry.bag_of_words(model, fit_pairs),
        "the words it says": (right[said].mean(0) - right[unsaid].mean(0))[None],
        "random": steering.random_directions(30, v @ by, generator=seeded(0)),
        "others, moved": torch.cat(
            [
                steering.random_directions(20, v, generator=seeded(1)),
                torch.stack([vectors["sea"], vectors["formality"]]),
            ]
        )
        @ by,
    } | {
        kind: torch.stack([v @ moving(left, right[other]) for other in each])
        for kind, each in others.items()
    }
    openings = concepts.openings(part="test")
    made_for[name] = made
    measures[name] = partial(geometry.log_odds, model, openings, pairs)
    units[name] = steering.typical_norm(model, concepts.openings(part="choose"), layer=INTO)
    effects[name] = {
        kind: steering_effects(model, each, measures[name], layer=INTO, norm=DOSE * units[name])
        for kind, each in made.items()
    }
told = gemma_rows.recorded()
runs = {(run["layer"], run["dose"]): run["effects"] for run in told["runs"]}
effects["Gemma"] = {kind: torch.tensor(each) for kind, each in runs[INTO, DOSE].items()}
CONTROLS = ("random", "shuffled", "like frequency")
RIVALS = (
    *("moved, Procrustes", "the words it says", "its own"),
    *("bag, moved", "bag, own", "best control"),
)
compared = {}
for name, found in effects.items():
    moved = found["moved"][0]
    every = torch.cat([found[kind] for kind in CONTROLS])
    found["best control"] = every[[int(every.mean(1).argmax())]]
    for kind in RIVALS:
        apart = moved - found[kind][0]
        compared[name, kind] = (apart.mean().item(), *bootstrap(apart))
passed = {kind: compared["wide", kind][1] > 0 for kind in RIVALS}
over_controls, over_words = passed["best control"], passed["the words it says"]
over_others = passed["its own"] and passed["bag, moved"] and passed["bag, own"]
outcome(
    "33.rivals",
    "not even the controls"
    if not over_controls
    else "the controls, but not all the others"
    if not over_others
    else "all"
    if over_words
    else "all but the words it says",
)
SHOWN = ("moved", "the words it says", "its own", "bag, own")
plots.intervals(
    {
        name: {kind: (found[kind].mean(), *bootstrap(found[kind][0])) for kind in SHOWN}
        for name, found in effects.items()
    },
    dots={
        name: {"controls": torch.cat([found[kind] for kind in CONTROLS]).mean(1).tolist()}
        for name, found in effects.items()
    },
    marks=dict.fromkeys(effects, 0),
    title="How much do the moved vector and its rivals steer? (log-odds, nats)",
)

# %% tags=["folded"]
# All rivals with intervals; and the direct way: the moved vector, as long, after the last block.
direct = {}
for name, model in (("wide", wide), ("narrow", narrow)):
    step = steering.at_dose(made_for[name]["moved"][0], DOSE, norm=units[name])
    plain = measures[name]()
    with steering.steer(model, step, layer=model.cfg.n_layers):
        direct[name] = (measures[name]() - plain).mean().item()
direct["Gemma"] = effects["Gemma"]["direct way"].mean().item()
plots.table(
    [
        (
            name,
            kind,
            f"{effects[name][kind].mean():.2f}",
            "{:.2f} ({:+.2f} to {:+.2f})".format(*found),
        )
        for (name, kind), found in compared.items()
    ]
    + [(name, "direct way (not a rival)", f"{value:.2f}", "") for name, value in direct.items()]
    + [
        (
            name,
            "22 other vectors of SmolLM2, moved by the same map: highest",
            f"{effects[name]['others, moved'].mean(1).max():.2f}",
            "",
        )
        for name in ("wide", "narrow")
    ],
    columns=["into", "rival", "its effect, nats", "moved minus rival (95% over pairs of words)"],
)

# %% [markdown]
# The moved vector raises the log-odds of positive words by **0.94** nats in `wide`, by **0.78** in `narrow` and by **3.3** in Gemma, whose 97 pairs and layers are others (so compare within a model). In each it is above all 70 controls (in Gemma 60), above the model's own vector and above either bag of words. Sent through the *same* map, 22 other vectors of SmolLM2 (20 random directions, *sea* and *formality*) have at most `0.46` in `wide` and `0.54` in `narrow`: the map alone does not do it. In `narrow` the lead over the best control is not firm: with the controls drawn three more times, its interval reached 0 once.
#
# The own vector had one layer. From its best, layer 4, it does **0.75** in `wide`, and the moved one is still ahead by **0.19** (`0.07` to `0.33`).
#
# But **the words it says** do as well: **0.95** in `wide` and **0.83** in `narrow`, with no map. (The best of twenty lists of random words has `0.47` and `0.60` here.) In Gemma they have **2.9** nats of the `3.3`. So in the pupils the moved vector does about what the hundred words it names do, and the map is one way to look them up. In the pupils nothing shows that more than a list of words crossed over; in Gemma it is `0.4` nats more (`0.3` to `0.6`).
#
# **Which map?** In Gemma least squares reads worse than Procrustes; steering in the pupils is better with least squares: by **0.15** (`0.08` to `0.22`) in `wide` and **0.12** (`0.02` to `0.22`) in `narrow`. In Gemma before block 1 the two are not told apart. Reading well and steering well are two tests.
#
# **How much is done by blocks?** Added after the last block of `wide`, where no block can use it, the same vector still has **0.50** nats: the unembedding alone reads it, as in section 3. In `narrow` this **direct way** has **0.25**, and in Gemma `0.11` of `3.3`. (The vector is as long as before block 1, where the stream is shorter; so these are no shares.)

# %% tags=["numbers"]
claim("moved into wide", effects["wide"]["moved"].mean(), text=0.94, within=0.1)
claim("moved into narrow", effects["narrow"]["moved"].mean(), text=0.78, within=0.1)
claim("moved into Gemma", effects["Gemma"]["moved"].mean(), text=3.3, within=0.1)
claim("words said, wide", effects["wide"]["the words it says"].mean(), text=0.95, within=0.1)
claim("words said, narrow", effects["narrow"]["the words it says"].mean(), text=0.83, within=0.1)
claim("words said, Gemma", effects["Gemma"]["the words it says"].mean(), text=2.9, within=0.1)
for name in ("wide", "narrow"):
    mean, low, high = compared[name, "the words it says"]
    assert low < 0 < high and abs(mean) < 0.1
claim("LS - Procrustes, wide", compared["wide", "moved, Procrustes"][0], text=0.15, within=0.022)
claim(
    "LS - Procrustes, narrow", compared["narrow", "moved, Procrustes"][0], text=0.12, within=0.018
)
assert (
    compared["wide", "moved, Procrustes"][1] > 0 and compared["narrow", "moved, Procrustes"][1] > 0
)
assert compared["Gemma", "moved, Procrustes"][1] < 0 < compared["Gemma", "moved, Procrustes"][2]
layer_4 = mean_difference(wide, "sentiment")[4][None]
best_own = steering_effects(wide, layer_4, measures["wide"], layer=INTO, norm=DOSE * units["wide"])
claim("own vector of layer 4 in wide", best_own.mean(), text=0.75, within=0.07)
apart = effects["wide"]["moved"][0] - best_own[0]
claim("moved minus own of layer 4", apart.mean(), text=0.19, within=0.028)
assert bootstrap(apart)[0] > 0
for name, model in (("wide", wide), ("narrow", narrow)):
    rows = E[name][free]
    draws_of = [torch.randperm(len(rows), generator=seeded(seed))[:100] for seed in range(20)]
    lists = torch.stack([rows[d[:50]].mean(0) - rows[d[50:]].mean(0) for d in draws_of])
    at = {"layer": INTO, "norm": DOSE * units[name]}
    highest = steering_effects(model, lists, measures[name], **at).mean(1).max()
    assert abs(highest - {"wide": 0.47, "narrow": 0.60}[name]) < 0.07
claim("direct way, wide", direct["wide"], text=0.50, within=0.06)
assert abs(direct["Gemma"] - 0.11) < 0.01
for name, stated in (("wide", 0.46), ("narrow", 0.54)):
    assert abs(effects[name]["others, moved"].mean(1).max() - stated) < 0.06, name
claim("direct way, narrow", direct["narrow"], text=0.25, within=0.037)
for name in effects:
    for kind in ("its own", "bag, moved", "bag, own", "best control"):
        assert compared[name, kind][1] > 0

# %% [markdown]
# ### Investigation · which map is which? (10 minutes, medium)
#
# Three maps from SmolLM2 to Gemma stand under the letters a, b and c. One was fitted on **true** pairs; one on pairs of which **half**, drawn at random, are exchanged among themselves; one on pairs of like **frequency**. `sealed.move(letter, vectors)` moves vectors [n, 576] and returns [n, 640]. Twelve vectors may be moved in all. None of the maps was fitted on the words `held_out`.
#
# Which is which? Answer from a measurement, with a dictionary such as `{"a": "true", "b": "half", "c": "frequency"}`.

# %%
held_out = (~unrated).nonzero()[:, 0]  # the rated words
sealed = geometry.SealedMaps(
    A[unrated],
    E["Gemma"][unrated],
    counts[unrated],
    order=lesson_33.sealed_order(),
    ridge=RIDGE["Gemma"],
    budget=12,
)

# %% tags=["answer:which_map"]
### BEGIN SOLUTION
# Move the same four held-out words, centred, by each map, and compare with Gemma's own rows:
#     x, y = ((E[name] - E[name].mean(0))[held_out[:4]] for name in ("SmolLM2", "Gemma"))
#     for letter in "abc":
#         moved = sealed.move(letter, x)
#         print(letter, torch.nn.functional.cosine_similarity(moved, y, dim=-1).mean())
which_map = {"a": "half", "b": "frequency", "c": "true"}
### END SOLUTION

# %% tags=["check"]
which_map = lesson_33.check_which_map(which_map)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# You know where a good map should send a word: to Gemma's own row. Words that a map was fitted on flatter it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Choose four words of `held_out`, take SmolLM2's mean row away, move the same four by each map, and compare by cosine with Gemma's centred rows.
#
# </details>

# %% tags=["numbers"]
x, y = ((E[name] - E[name].mean(0))[held_out[:4]] for name in ("SmolLM2", "Gemma"))
near = {
    letter: torch.nn.functional.cosine_similarity(sealed.move(letter, x), y, dim=-1).mean().item()
    for letter in "abc"
}
by_kind = {kind: near[letter] for letter, kind in which_map.items()}
assert by_kind["true"] > by_kind["half"] + 0.05 > by_kind["frequency"] + 0.3

# %% [markdown]
# ## Going deeper: another layer, another dose
#
# Are block 1 and the dose `0.25` lucky choices? Here the best of all 70 controls is picked after the fact, so a difference above 0 is a strict test.

# %% tags=["folded"]
# Is it the choice of layer and dose? Moved minus the best of the 70 controls, elsewhere.
elsewhere = {}
for name, model in (("wide", wide), ("narrow", narrow)):
    for layer, dose in ((1, 1.0), (3, 0.25), (3, 1.0)):
        long = steering.typical_norm(model, concepts.openings(part="choose"), layer=layer)
        run = partial(
            steering_effects, model, measure=measures[name], layer=layer, norm=dose * long
        )
        moved = run(made_for[name]["moved"])[0]
        every = torch.cat([run(made_for[name][kind]) for kind in CONTROLS])
        apart = moved - every[int(every.mean(1).argmax())]
        elsewhere[name, layer, dose] = moved.mean().item(), apart.mean().item(), *bootstrap(apart)
plots.table(
    [
        (*key, f"{moved:.2f}", "{:.2f} ({:+.2f} to {:+.2f})".format(*apart))
        for key, (moved, *apart) in elsewhere.items()
    ],
    columns=["into", "before block", "dose", "moved, nats", "moved minus the best control (95%)"],
)

# %% [markdown]
# `wide` passes at all four settings. `narrow` passes before block 1, by `0.35` at dose `0.25`; but with the controls drawn anew that is `0.18` to `0.28`, and at dose `1.0` it passed in one of three draws. Before block 3 one of 70 wrong vectors does about as much as the moved one.
#
# ### Task · the words it says, elsewhere (5 minutes)
#
# Run `made_for[name]["the words it says"]` at the same settings. Is the moved vector ever ahead of it?

# %% tags=["numbers"]
assert abs(compared["narrow", "best control"][0] - 0.35) < 0.05
assert elsewhere["narrow", 1, 1.0][2] > 0
assert elsewhere["narrow", 3, 1.0][2] < 0 and elsewhere["narrow", 3, 0.25][2] < 0
assert all(found[2] > 0 for key, found in elsewhere.items() if key[0] == "wide")

# %% [markdown]
# ## Going deeper: local geometry by LLE
#
# RSA is mostly about pairs of words that have little to do with each other. Lee and colleagues also compare each word's place *among its neighbours*, by **locally linear embedding** (LLE; Roweis and Saul, 2000): write the word as a mixture of its k nearest words, as well as possible, with weights that sum to 1. `lle_weights(x, neighbours)` is given, for all words at once. Moving, turning or scaling the space leaves the weights as they are.
#
# ### Exercise 5 · each model's own neighbours (15 minutes, hard)


# %% tags=["exercise:utils.writing.geometry.lle_agreement"]
def lle_agreement(
    A: Float[Tensor, "word a"], B: Float[Tensor, "word b"], *, k: int = 10
) -> Float[Tensor, " word"]:
    """For each word: how alike its place among its neighbours is in A and in B.

    In each model, embeddings are centred and scaled to length 1. The word's k nearest other words
    *in that model* by cosine get the weights that rebuild it best from them, and all other words
    the weight 0. The agreement is the cosine of the two rows of weights.
    """
    ### BEGIN SOLUTION
    rows = []
    for E in (A, B):
        unit = unit_rows(E)
        cosines = unit @ unit.T
        cosines.fill_diagonal_(-2)
        near = cosines.topk(k).indices
        weights = lle_weights(unit, unit[near])
        rows.append(torch.zeros_like(cosines).scatter_(1, near, weights))
    return torch.nn.functional.cosine_similarity(*rows, dim=-1)
    ### END SOLUTION


# %% tags=["check"]
lle_agreement = lesson_33.check_lle_agreement(lle_agreement)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For one model: `unit_rows(E)` gives centred rows of length 1, and their cosines the k nearest of each, once the diagonal is out of the way. `unit[near]` is [word, k, d].
#
# </details>
# <details><summary>Hint 2</summary>
#
# `cosines.fill_diagonal_(-2)`, `cosines.topk(k).indices`. `torch.zeros_like(cosines).scatter_(1, near, weights)` writes the weights into their columns.
#
# </details>

# %% tags=["folded"]
# Own neighbours: real pairs of models, and what the neighbours alone and the weights alone give.
m, g = len(story), E["Gemma"][story]
local = {
    "SmolLM2 and Gemma": lle_agreement(A[story], g),
    "SmolLM2 and wide": lle_agreement(A[story], E["wide"]),
    "wide and narrow": lle_agreement(E["wide"], E["narrow"]),
    "control: like frequency": lle_agreement(
        A[story], g[like_frequency(counts[story], generator=seeded(0))]
    ),
}


def weights_in_columns(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Each word's weights in its neighbours' columns, changed."""
    near, unit = geometry.nearest_rows(x, 10), unit_rows(x)
    return torch.zeros(m, m).scatter_(1, near, change(lle_weights(unit, unit[near])))


mixed = torch.rand(m, 10, generator=seeded(0)).argsort(-1)  # an order for each word
for name, changes in {
    "same neighbours, all weights alike": (torch.ones_like, torch.ones_like),
    "same neighbours, Gemma's weights shuffled": (lambda w: w, lambda w: w.gather(1, mixed)),
}.items():
    both = (weights_in_columns(x, how) for x, how in zip((A[story], g), changes, strict=True))
    local[f"control: {name}"] = torch.nn.functional.cosine_similarity(*both, dim=-1)
local = {name: each.mean().item() for name, each in local.items()}

# And over the first model's neighbours in both, in noise 576 and 64 numbers wide.
noise = [torch.randn(m, d, generator=seeded(d)) for d in (576, 64)]
near = geometry.nearest_rows(noise[0], 10)
shortcut = torch.nn.functional.cosine_similarity(
    *(lle_weights(x, x[near]) for x in map(unit_rows, noise)), dim=-1
)
plots.table(
    [(name, f"{value:z.2f}") for name, value in local.items()],
    columns=["ten neighbours, each model's own", "cosine of weights"],
)

# %% [markdown]
# With each model's own neighbours, as in the paper, SmolLM2 and Gemma agree at **0.74**. Pairs of like frequency have about `0.00`, but that had to come out: sets of ten words out of 2,276 hardly meet by chance. The informative controls keep each word's neighbours. With all weights alike **0.52** remains, the share of neighbours in common; with Gemma's weights shuffled among them **0.34**. So most of the agreement is *which* words are near, and the weights add something.
#
# A shortcut is to use the *same* neighbours in both models. There even noise has a cosine of **0.62**, since in noise all weights are about 1/k.
#
# ### Task · one neighbour, or fifty (5 minutes)
#
# Run `lle_agreement` for SmolLM2 and Gemma with k of 2 and of 50, and each with all weights alike. At which k do the weights add most?

# %% tags=["numbers"]
claim("own, SmolLM2 and Gemma", local["SmolLM2 and Gemma"], text=0.74, within=0.03)
flat, turned = (value for name, value in local.items() if "same neighbours" in name)
claim("weights alike", flat, text=0.52, within=0.03)
claim("weights shuffled", turned, text=0.34, within=0.03)
claim("same neighbours, noise", shortcut.mean(), text=0.62, within=0.03)
assert abs(local["control: like frequency"]) < 0.03

# %% [markdown]
# ## Going deeper: words with few directions around them
#
# How many directions does a word's neighbourhood spread into? Take its 50 nearest words and count the principal components that hold most of their variance: its **intrinsic dimension** (ID). Lee and colleagues show by examples that words of low ID lie in coherent clusters. Coherence can be measured, too, and in an *unrelated* model: the mean cosine, in Gemma, of the words that are neighbours in SmolLM2.
#
# ### Exercise 6 · intrinsic dimension (10 minutes, medium)


# %% tags=["exercise:utils.writing.geometry.intrinsic_dimension"]
def intrinsic_dimension(
    E: Float[Tensor, "word d"], neighbours: Int[Tensor, "n k"], *, share: float = 0.9
) -> Int[Tensor, " n"]:
    """How many principal components hold this share of the variance of each word's neighbours.

    The neighbours' own mean is taken away. It is at most k - 1: compare results of one k alone.

    Args:
        neighbours: for each of n words the rows of E that are its neighbours.
    """
    ### BEGIN SOLUTION
    x = E[neighbours]
    x = x - x.mean(1, keepdim=True)
    variance = torch.linalg.svdvals(x).square()
    held = variance.cumsum(-1) / variance.sum(-1, keepdim=True)
    return (held < share).sum(-1) + 1
    ### END SOLUTION


# %% tags=["check"]
intrinsic_dimension = lesson_33.check_intrinsic_dimension(intrinsic_dimension)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `E[neighbours]` is [n, k, d]. Take each neighbourhood's own mean away. `torch.linalg.svdvals` gives singular values, from large to small, for the whole batch; their squares are the variances.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `cumsum(-1)` over the variances, divided by their sum: the share that the first 1, 2, 3 ... components hold. Count how many of these stay below `share`; the next one reaches it.
#
# </details>

# %% tags=["folded"]
# ID and coherence; what is left of their correlation without frequency and density.
around = geometry.nearest_rows(A, 50)
ID = torch.cat([intrinsic_dimension(A, each) for each in around.split(500)]).double()
coherent = geometry.coherence(E["Gemma"], around).double()
by_chance = geometry.coherence(E["Gemma"], torch.randint(len(A), around.shape, generator=seeded(0)))
unit_A = unit_rows(A)
density = torch.cat(
    [
        (unit_A[each[:, None]] * unit_A[around[each]]).sum(-1).mean(-1)
        for each in torch.arange(len(A)).split(500)
    ]
)


def correlation(x: Tensor, y: Tensor, *without: Tensor) -> float:
    """Pearson correlation of what is left of x and y without the part linear in the others."""
    both = torch.stack([x, y], dim=1).double()
    others = torch.stack([torch.ones(len(x)), *without], dim=1).double()
    left = both - others @ torch.linalg.lstsq(others, both).solution
    return torch.corrcoef(left.T)[0, 1].item()


alone, controlled = (
    correlation(ID, coherent, *without) for without in ([], [counts.double().log(), density])
)
fifths = ID.argsort(stable=True).chunk(5)
plots.table(
    [
        (
            f"{ID[each].min():.0f} to {ID[each].max():.0f}",
            f"{coherent[each].mean():.3f}",
            " ".join(words[i][1:] for i in each[:: len(each) // 5].tolist()[:5]),
        )
        for each in fifths
    ],
    columns=["ID in SmolLM2 (a fifth of the words each)", "coherence in Gemma", "words"],
)

# %% [markdown]
# The claim holds, weakly: neighbours of words with a low ID are more coherent in Gemma, **0.16** in the lowest fifth and **0.12** in the highest; words at random have `0.00`. The correlation is **-0.25**, a sixteenth of the variance. With log frequency and density (the mean cosine to the neighbours) regressed out it is **-0.42**, so neither of them explains it. The fall is not even: it is mostly in the first step.
#
# ### Task · read the ends (5 minutes)
#
# Print the ten nearest words of the five words with the lowest ID and of the five with the highest. Would you have called the second lists incoherent before you saw the number?

# %% tags=["numbers"]
claim("lowest fifth", coherent[fifths[0]].mean(), text=0.16, within=0.01)
claim("highest fifth", coherent[fifths[-1]].mean(), text=0.12, within=0.01)
claim("ID and coherence", alone, text=-0.25, within=0.03)
claim("without frequency and density", controlled, text=-0.42, within=0.04)
assert abs(by_chance.mean()) < 0.005 and abs(alone**2 - 1 / 16) < 0.02

# %% [markdown]
# ## Going deeper: the whole of Gemma
#
# `data/gemma_rows/make.py` ran the whole of Gemma-3-270M at five layers and three doses; the table has the dose `0.25`, as recorded. The **odd part** is half of the moved vector's effect minus its opposite's: what turns with the sign. To repeat it, set `TRY_GEMMA = True` (238 MB and 20 minutes; by fetching Gemma you accept its terms).

# %%
TRY_GEMMA = False
if TRY_GEMMA:
    from data.gemma_rows import make as gemma_recipe

    gemma_recipe.make_steering()
    told = gemma_rows.recorded()
in_gemma, rows = {}, []
for run in sorted(told["runs"], key=lambda run: run["layer"]):
    found = {kind: torch.tensor(each) for kind, each in run["effects"].items()}
    found["odd part"] = (found["moved"] - found["minus it"]) / 2
    in_gemma[run["layer"], run["dose"]] = found
    if run["dose"] == DOSE:
        each = torch.cat([found[kind] for kind in CONTROLS]).mean(1)
        numbers = [f"{found[kind].mean().item():+.1f}" for kind in ("moved", "odd part")]
        numbers += [f"{each.mean():+.1f} ({each.max():+.1f})"]
        for kind in ("the words it says", "moved, Procrustes", "bag, own"):
            apart = found["moved"][0] - found[kind][0]
            numbers.append("{:+.1f} ({:+.1f} to {:+.1f})".format(apart.mean(), *bootstrap(apart)))
        norm, direct = f"{run['norm']:,.0f}", f"{found['direct way'].mean().item():+.1f}"
        rows.append((run["layer"], norm, *numbers, direct))
plots.table(
    rows,
    columns=[
        "before block",
        "norm",
        "moved",
        "odd part",
        "60 controls: mean (highest)",
        "moved minus words it says (95%)",
        "minus Procrustes",
        "minus own bag",
        "direct way",
    ],
)

# %% [markdown]
# Before block 1 the moved vector has **3.3** nats, its opposite `-1.8`, so the odd part is **2.55**. Means of the controls are `0.4` to `0.9`: some of the effect is what any push does to these pairs. Over the words that it says the moved vector is ahead before blocks 1 and 3, and not later. Neither map is ahead at every layer.
#
# At the three doses and five layers it does more than either bag, except before block 3 at dose `0.5`, where the intervals of both differences hold 0.
#
# Before block 12 most of the effect is the direct way (**13.6** of **16.9** nats), the comparison of unembeddings in section 3 once more. Before block 1 the direct way has **0.1**, but this owes much to length: the vector is a quarter of `99` long there, and a quarter of `12,391` before block 12. That later blocks make the rest is likely, and not shown by this comparison.
#
# ### Task · the direct way in `wide` (10 minutes)
#
# With `steering.steer(wide, v, layer=wide.cfg.n_layers)` and `measures["wide"]`, measure the direct way of the words it says in `wide`, as long as before block 1. What share of the effect is it?

# %% tags=["numbers"]
late, early = in_gemma[12, 0.25], in_gemma[1, 0.25]
claim("before block 12, direct", late["direct way"].mean(), text=13.6, within=0.1)
claim("before block 12", late["moved"].mean(), text=16.9, within=0.1)
claim("before block 1, direct", early["direct way"].mean(), text=0.1, within=0.015)
claim("before block 1", early["moved"].mean(), text=3.3, within=0.1)
claim("odd part", early["odd part"].mean(), text=2.55, within=0.02)
for (layer, dose), found in in_gemma.items():
    for kind in ("bag, moved", "bag, own", "the words it says"):
        low, high = bootstrap(found["moved"][0] - found[kind][0])
        if kind != "the words it says":
            assert (low < 0 < high) if (layer, dose) == (3, 0.5) else low > 0
        elif dose == DOSE:
            assert low > 0 if layer < 6 else low < 0

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "global: RSA",
            f"{real['SmolLM2, Gemma']:.2f}; wide {real['SmolLM2, wide']:.2f}",
            f"{means['like frequency']:.2f}, like frequency; 0.00, shuffled and Gaussian",
            "high within a family (Pearson)",
        ),
        (
            "local: LLE over own neighbours",
            f"{local['SmolLM2 and Gemma']:.2f}",
            f"{local['control: same neighbours, all weights alike']:.2f}, all weights alike",
            "similar",
        ),
        (
            "ID and coherence",
            f"{alone:.2f}",
            f"{controlled:.2f} without frequency and density",
            "low ID: coherent clusters (by examples)",
        ),
        (
            "map to Gemma: words retrieved",
            f"{100 * retrieved:.1f}%",
            f"{100 * fitted['Gemma', 'like-frequency pairs'][1]:.1f}%, like frequency",
            "",
        ),
        (
            "moved vector, nats",
            "; ".join(f"{name} {found['moved'].mean():+.1f}" for name, found in effects.items()),
            "; ".join(
                f"{name} {found['best control'].mean():+.1f}" for name, found in effects.items()
            )
            + " (best control); "
            + "; ".join(f"{found['the words it says'].mean():+.1f}" for found in effects.values())
            + " (the words it says)",
            "steering vectors transfer (Emb2Emb)",
        ),
    ],
    columns=["", "SmolLM2 and another model", "control", "Lee et al."],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. Gemma and SmolLM2 never saw each other. What did they share that could make their embeddings alike?
# 2. A map fitted on embeddings carried a vector of layer 24. What could you fit a map on instead, and what would you need for it that Emb2Emb does not?
# 3. For which concept would a bag of words fail? Would Emb2Emb succeed there?
#
# ## Common mistakes
#
# - Comparing cosines without taking the common mean away.
# - A shuffled pairing as the only control: it cannot exclude frequency.
# - Judging a map on the words that it was fitted on.
# - Taking a high R² for a faithful map of directions.
# - Crediting a map with what a list of words carries.
# - Giving the moved vector a choice of layer and dose that its rivals do not get.
# - "The difference is significant here and not there" in place of a comparison of the two.
#
# ## Where this breaks
#
# One source model, one concept in the steering runs, one layer. All models read English, mostly whole words with a token of their own. Gemma's rows are 8-bit, and the model around them 4-bit. The intervals are over pairs of words, and the controls over draws; neither covers other concepts or models. Log-odds of a next word are no text; steered text stands in the first cell alone, unscored.
#
# ## Further reading
#
# - Lee, Weber, Viégas and Wattenberg (2025), *Shared Global and Local Geometry of Language Model Embeddings*, arXiv 2503.21073
# - Mikolov, Le and Sutskever (2013), *Exploiting Similarities among Languages for Machine Translation*, arXiv 1309.4168
# - Kriegeskorte, Mur and Bandettini (2008), *Representational similarity analysis*
# - Schönemann (1966), *A generalized solution of the orthogonal Procrustes problem*
# - Roweis and Saul (2000), *Nonlinear Dimensionality Reduction by Locally Linear Embedding*
# - Moschella et al. (2022), *Relative representations enable zero-shot latent space communication*, arXiv 2209.15430
# - Huh et al. (2024), *The Platonic Representation Hypothesis*, arXiv 2405.07987
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [3.2 · The emotion circle](32_emotion_circle.ipynb) | **Next:** [4.1 · Superposition](41_superposition.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/32_emotion_circle.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/41_superposition.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("33")
