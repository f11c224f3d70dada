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
# # 5.9 · Real or fake? A clinic
#
# [![Open lesson 5.9 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/59_real_or_fake.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.7 · Subliminal learning, and its dispute](57_subliminal_learning.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/57_subliminal_learning.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. name the control that decides about a result, before you see it;
# 2. write concept injection, a patchscope and distributed alignment search, and put each on trial;
# 3. say of a claim what stays after the control, and at which scale.
#
# **Time** 80 minutes for the core, and 30 minutes for *Going deeper*. **Needs** lessons 3.1: steering; 1.4: patching; 2.1: controls; for *Going deeper* lesson 4.2: sparse autoencoders.
# **Runs** in about two to three minutes on a laptop's processor.
#
# **First, play.** The third cell asks the model whether it detects an injected thought, while the vector of a word is added to its residual stream. Change the word and the dose. Does the model notice?

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
import csv
from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils import plots
from utils.activations import activations, next_logits
from utils.cases import clinic
from utils.cases.clinic import Swap
from utils.checks import lesson_59
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.features.dashboards import load_split
from utils.features.sae import load_sae
from utils.generation import sample
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap, percentiles
from utils.steering import at_dose, random_directions, steer, typical_norm
from utils.writing.fluency import token_losses

model = load()
device = model.cfg.device
LAYER = 20  # two thirds of 30 blocks
WORDS = "ocean bread music winter dust war silver garden blood trumpet poetry rabbit volcano sugar lightning cathedral"
concepts = WORDS.split()
ABOUT = [f"Tell me about {word}" for word in concepts]
stream = activations(model, ABOUT, layers=LAYER)[LAYER]
norm = typical_norm(model, ABOUT, layer=LAYER)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def asked(question: str) -> Int[Tensor, " pos"]:
    """The tokens of a question in the chat format."""
    text = f"<|im_start|>user\n{question} Answer Yes or No.<|im_end|>\n<|im_start|>assistant\n"
    return model.to_tokens(text, prepend_bos=False)[0]


def concept_vectors(dose: float) -> Float[Tensor, "concept d_model"]:
    """Each word's vector less the mean over all words, at a dose in typical norms."""
    return at_dose(stream - stream.mean(0), dose, norm=norm).to(device)


WORD, DOSE = "ocean", 0.5  # change me

prompt = asked("Do you detect an injected thought?")[None]
with steer(model, concept_vectors(DOSE)[concepts.index(WORD)], layer=LAYER):
    noticed = sample(model, prompt, n_tokens=20, generator=seeded(0))
print("with the vector:   ", model.to_string(noticed[0]))
print(
    "without the vector:",
    model.to_string(sample(model, prompt, n_tokens=20, generator=seeded(0))[0]),
)

# %% [markdown]
# A transcript shows a case, and no comparison. This lesson puts claims on trial. Each case has a published method, and a figure that seems to support a claim about *our* model. You commit to a verdict, real or fake, and name the flaw. Then the control is run.
# Not every claim here is fake, and some stay open, so "fake" is no safe answer.
#
# ## Case 1 · The model detects an injected thought
#
# **The published claim.** Lindsey (arXiv 2601.01828) injected vectors of concepts into Claude models, and asked whether they detect an injected thought. At the best layer, about two thirds of the way up, the strongest models said so, and named the concept, in about `20%` of the trials, and never without an injection.
#
# A small model's text is hard to score, so we read its answer from the logits: Yes less No, at the last token of the question.

# %%
figures.diagram(
    {
        "question": (0, 0),
        "stream before<br>block 20": (1.3, 0),
        "last token:<br>Yes less No": (2.8, 0),
        "vector of a concept": (1.3, -1),
    },
    [
        ("question", "stream before<br>block 20"),
        ("stream before<br>block 20", "last token:<br>Yes less No"),
        ("vector of a concept", "stream before<br>block 20", "added"),
    ],
    title="Concept injection: the same question with and without a vector",
    marked=["vector of a concept"],
)

# %% [markdown]
# ### Exercise 1 · inject, and read the answer (8 minutes, medium)
#
# Write the hook and the comparison. The questions differ in length: run one question at a time, with all vectors as a batch.


# %% tags=["exercise:utils.cases.clinic.yes_shifts"]
def yes_shifts(
    model,
    questions: Sequence[Int[Tensor, " _"]],
    vectors: Float[Tensor, "vector d_model"],
    *,
    layer: int,
    yes: int,
    no: int,
) -> Float[Tensor, "vector question"]:
    """How far an injected vector moves the model's answer towards Yes.

    The answer to a question is the logit of `yes` less the logit of `no` after its last token. A
    shift is the answer while the vector is added to the residual stream before block `layer`, at
    every position, less the answer without it.

    Args:
        questions: the tokens of each, [pos], of different lengths.
        vectors: what is injected, one at a time, at the length it has.
        yes, no: ids of tokens.

    Source: concept injection (Lindsey, arXiv 2601.01828).
    """
    ### BEGIN SOLUTION
    name = f"blocks.{layer}.hook_resid_pre"

    def add(resid, hook):
        return resid + vectors[:, None]

    shifts = []
    with torch.no_grad():
        for question in questions:
            plain = model(question[None])[0, -1]
            rows = question.repeat(len(vectors), 1)
            moved = model.run_with_hooks(rows, fwd_hooks=[(name, add)])[:, -1]
            shifts.append(moved[:, yes] - moved[:, no] - (plain[yes] - plain[no]))
    return torch.stack(shifts, dim=1)
    ### END SOLUTION


# %% tags=["check"]
yes_shifts = lesson_59.check_yes_shifts(yes_shifts)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `question.repeat(len(vectors), 1)` is a batch with one row for each vector. The hook gets [vector, pos, d_model], and the vectors are [vector, d_model]: give them an axis for the positions.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The answer without a vector is one number for each question: `plain[yes] - plain[no]`. Subtract it from the answers with a vector. `torch.stack(..., dim=1)` puts questions in columns.
#
# </details>

# %%
DETECT = [
    "Do you detect an injected thought?",
    "Do you notice an unusual thought in your mind?",
    "Is a thought being injected into your mind right now?",
    "Do you feel that something was added to your thoughts?",
    "Is there a foreign idea in your mind at the moment?",
    "Do you sense that your thoughts were changed?",
]
yes, no = (model.to_tokens(word, prepend_bos=False)[0, 0].item() for word in ("Yes", "No"))
shifts = partial(yes_shifts, model, layer=LAYER, yes=yes, no=no)
detect = shifts([asked(each) for each in DETECT], concept_vectors(0.5)).mean(1).cpu()
noticed = int((detect > 0.5).sum())
plots.scatter(
    {word: (0.5, value) for word, value in zip(concepts, detect.tolist(), strict=True)}
    | {"no injection": (0, 0)},
    named=[word for word, value in zip(concepts, detect.tolist(), strict=True) if value > 0.5]
    + ["no injection"],
    title="Does the model detect an injected thought?",
    x="dose, in typical norms",
    y="shift of Yes less No, 6 questions",
)

# %%
print(f"{noticed} of {len(concepts)} concepts move the answer by more than 0.5 logits to Yes")

# %% [markdown]
# This is the figure of the claim: 16 concepts, six questions, dose `0.5` at layer 20. Without an injection the shift is 0 by construction, so the figure says nothing about false alarms.

# %%
predict(
    "59.thought",
    "Does the model detect an injected thought, for the concepts marked in orange?",
    choices=[
        "real: the answer moves for these concepts and not without injection",
        "fake: it would say Yes to other questions as well",
        "fake: the vectors are too long for any comparison",
    ],
)

# %% [markdown]
# **The null.** Ask the same model, under the same vectors, questions that have nothing to do with thoughts, and whose right answer is No. A model that detects something moves towards Yes on the first kind and not on the second. The second control is random vectors of equal length, and the third is questions whose right answer is Yes. (The idea is that of *Introspection or entropy?*, LessWrong, which tested 14 open models.)

# %%
FACTUAL = [
    "Is Paris the capital of Japan?",
    "Can a fish drive a car?",
    "Is ice hotter than fire?",
    "Do horses have six legs?",
    "Is the moon made of bread?",
    "Is Monday a month of the year?",
]
TRUE = [
    "Is Paris the capital of France?",
    "Can a fish swim?",
    "Is fire hotter than ice?",
    "Do horses have four legs?",
    "Is bread made of flour?",
    "Is Monday a day of the week?",
]
KINDS = {"detection": DETECT, "factual, No is right": FACTUAL, "factual, Yes is right": TRUE}
randoms = random_directions(8, concept_vectors(0.5)[0].cpu(), generator=seeded(0)).to(device)
table = {"concepts": {}, "random vectors": {}}
of_question = {}
for who, vectors in (("random vectors", randoms), ("concepts", concept_vectors(0.5))):
    for kind, questions in KINDS.items():
        moved = shifts([asked(q) for q in questions], vectors).cpu()  # [vector, question]
        table[who][kind], of_question[kind] = moved.mean(1), moved.mean(0)


def interval(values: Tensor) -> tuple[float, float, float]:
    """A mean over vectors, and its 95% interval."""
    return values.mean().item(), *bootstrap(values)


beyond = {who: each["detection"] - each["factual, No is right"] for who, each in table.items()}
special = interval(beyond["concepts"])
orange = {kind: values[detect > 0.5] for kind, values in table["concepts"].items()}
elsewhere = orange["factual, No is right"].mean() / orange["detection"].mean()
outcome(
    "59.thought",
    "fake: it would say Yes to other questions as well"
    if elsewhere > 0.5
    else "real: the answer moves for these concepts and not without injection",
)
plots.intervals(
    {
        who: {kind: interval(values) for kind, values in each.items()}
        | {"detection less factual": interval(beyond[who])}
        for who, each in table.items()
    },
    marks={"concepts": 0, "random vectors": 0},
    alike=["concepts", "random vectors"],
    title="A detection, or a Yes to anything?",
)


# %%
@torch.no_grad()
def plain(questions: Sequence[str]) -> Tensor:
    """Yes less No without any vector, for each question."""
    ends = [model(asked(each)[None])[0, -1] for each in questions]
    return torch.stack([logits[yes] - logits[no] for logits in ends]).cpu()


said = {kind: plain(questions) for kind, questions in KINDS.items()}
orange_gap = interval(beyond["concepts"][detect > 0.5])
tilt = torch.corrcoef(
    torch.stack([torch.cat([*said.values()]), torch.cat([*of_question.values()])])
)
print("orange concepts, detection less factual: {:.2f} ({:.2f} to {:.2f})".format(*orange_gap))
print(f"correlation of shift and plain answer over 18 questions: {tilt[0, 1]:.2f}")
plots.table(
    [
        (
            kind,
            f"{int((values > 0).sum())} of 6",
            *(f"{table[who][kind].mean():+.2f}" for who in table),
            f"{orange[kind].mean():+.2f}",
        )
        for kind, values in said.items()
    ],
    columns=[
        "questions",
        "Yes without a vector",
        "mean shift, 16 concepts",
        "8 random vectors",
        "orange concepts",
    ],
)

# %% [markdown]
# On average the vectors move "Can a fish drive a car?" further towards Yes than "Do you detect a thought?", and those of the four orange concepts move both. The difference of differences is **-0.55** logits for concepts, and below 0 for random vectors too. So the shift is not shown as a detection.
#
# The interval above is over all 16 concepts. For the four orange ones alone the difference is small, and its interval holds 0: for them, too, a detection is not shown, and it is not excluded. Nor does the figure count false alarms: without any vector the model says Yes to five of the six detection questions, and No to all six factual ones. Questions whose right answer is *Yes* move as those whose right answer is No. And over the 18 questions, a shift is the larger the lower the plain answer is (the correlation is below `-0.8`): what was a clear No moves most. So a vector that only blurs answers would give the same difference of differences.
#
# **What stays.** The shift is real, and a vector causes it. That it is a *report* is not shown in SmolLM2. About Claude this says nothing: there the model also names the concept, which a bias towards Yes alone cannot do. The post explains the naming by a leak of the concept into the answer, and tests that with mismatched concepts. Our model is far smaller, and the questions are twelve.

# %% tags=["numbers"]
claim("difference of differences, concepts", special[0], text=-0.55, within=0.08)
assert tilt[0, 1] < -0.8 and orange_gap[1] < 0 < orange_gap[2]
assert (said["detection"] > 0).sum() >= 5 and (said["factual, No is right"] > 0).sum() == 0
factual = [table["concepts"][f"factual, {word} is right"].mean() for word in ("Yes", "No")]
assert abs(factual[0] - factual[1]) < 0.3
assert (
    orange["factual, No is right"].mean() > 0.3
    and special[2] < 0
    and interval(beyond["random vectors"])[0] < 0.1
    and 2 <= noticed <= 9
)

# %% [markdown]
# ## Case 2 · The capital is in the hidden state
#
# **The published claim.** A patchscope (Ghandeharioun and colleagues, arXiv 2401.06102) takes a hidden state from one prompt, and puts it into another prompt, at the place of a stand-in token (here the x), which makes the model say what the vector holds. On GPT-J and larger models it extracted attributes of entities from layers where linear probes failed.

# %%
figures.diagram(
    {
        "source: I will tell<br>you about France": (0, 0),
        "stream at 'France'<br>before block L": (1.5, 0),
        "target: Canada: Ottawa<br>... x:": (0, -1),
        "stream at x<br>before block L": (1.5, -1),
        "next token": (2.8, -1),
    },
    [
        ("source: I will tell<br>you about France", "stream at 'France'<br>before block L"),
        ("target: Canada: Ottawa<br>... x:", "stream at x<br>before block L"),
        ("stream at 'France'<br>before block L", "stream at x<br>before block L", "patched"),
        ("stream at x<br>before block L", "next token"),
    ],
    title="A patchscope: the target prompt says what the vector holds",
    marked=["stream at x<br>before block L"],
)

# %% [markdown]
# ### Exercise 2 · write the patchscope (9 minutes, medium)


# %% tags=["exercise:utils.cases.clinic.patchscope"]
def patchscope(
    model,
    sources: Sequence[Int[Tensor, " _"]],
    target: Int[Tensor, " pos"],
    *,
    position: int,
    layers: Sequence[int],
) -> Int[Tensor, "layer source"]:
    """What the model says of a hidden state that stands in another prompt.

    From each source, take the residual stream at its *last* token before block L; run the target
    with this vector in the place of the stream before block L at `position`.

    Args:
        sources: the tokens of each, [pos], of different lengths.
        target: the tokens of the other prompt, which has a placeholder at `position`.
        layers: each is both read and written: L of the source goes to L of the target.

    Returns:
        The likeliest token after the target, for each layer and source.

    Source: Patchscopes (Ghandeharioun et al., arXiv 2401.06102).
    """
    ### BEGIN SOLUTION
    names = [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    said = torch.zeros(len(layers), len(sources), dtype=torch.long)
    with torch.no_grad():
        for i, source in enumerate(sources):
            _, cache = model.run_with_cache(source[None], names_filter=names)
            for k, name in enumerate(names):

                def put(resid, hook, vector=cache[name][0, -1]):
                    resid = resid.clone()
                    resid[:, position] = vector
                    return resid

                logits = model.run_with_hooks(target[None], fwd_hooks=[(name, put)])
                said[k, i] = logits[0, -1].argmax()
    return said
    ### END SOLUTION


# %% tags=["check"]
patchscope = lesson_59.check_patchscope(patchscope)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each source: one run with a cache of all layers that are wanted. Then, for each layer, a run of the target with a hook that replaces one position.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `cache[name][0, -1]` is the source's vector. In the hook: clone the stream, write `[:, position]`, return it. The answer is the `argmax` of the logits at the target's last position.
#
# </details>

# %%
with open(root / "data" / "facts" / "facts.csv", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
SHOTS = "Canada: Ottawa\nDenmark: Copenhagen\nBelgium: Brussels\n"


def word_ids(word: str) -> list[int]:
    return model.to_tokens(f" {word}", prepend_bos=False)[0].tolist()


pairs = {row["subject"]: row["right"] for row in rows if row["family"] == "capitals"}
pairs = {c: pairs[c] for c in pairs if len(word_ids(c)) == 1 and f"{c}:" not in SHOTS}
countries = list(pairs)[:32]  # the most populous whose name is one token
capitals = torch.tensor([word_ids(pairs[country])[0] for country in countries])
target = model.to_tokens(f"{SHOTS}x:")[0]
decode = partial(patchscope, model, target=target, position=len(target) - 2)
sources = [model.to_tokens(f"I will tell you about {country}")[0] for country in countries]
said = dict(zip((0, 4, 16), decode(sources, layers=[0, 4, 16]), strict=True))
decoded = {f"layer {k}": (row == capitals).float() for k, row in said.items()}
late = ("layer 4", "layer 16")
plots.bars(
    {name: decoded[name].mean().item() for name in late},
    intervals={name: tuple(bootstrap(decoded[name])) for name in late},
    title="Does the country's hidden state hold its capital?",
    y="share of 32 countries",
)

# %% [markdown]
# Neither prompt mentions the right capital. Only the first token of a capital is scored: 18 of the 32 capitals have several.

# %%
predict(
    "59.capital",
    "Is it shown that the state of layer 4 holds the capital?",
    choices=[
        "yes: nothing in the target prompt names the country or its capital",
        "no: the target prompt does about as well from the country's name alone",
        "no: only the first token of a capital is scored",
    ],
)

# %% [markdown]
# **The null** is the prompt itself. Put the country's *name* in the place of x, and no vector: does the target prompt find the capital as often? There are two ways to write the name: at the start of a line, as in the examples, where it often is several tokens; or as the *same token* as in the source, which begins with a space. The vector before block 0 is that token's embedding, and has seen nothing of the source prompt.

# %%
as_text = {
    "name, as in the examples": [f"{SHOTS}{country}:" for country in countries],
    "name, the same token": [f"{SHOTS} {country}:" for country in countries],
}
alone = {name: next_logits(model, prompts).argmax(-1) for name, prompts in as_text.items()}
tests = {
    "patched, layer 4": decoded["layer 4"],
    "patched, layer 0": decoded["layer 0"],
} | {name: (each == capitals).float() for name, each in alone.items()}
gains = {name: interval(tests["patched, layer 4"] - tests[name]) for name in list(tests)[1:]}
by_name = gains["name, as in the examples"]
outcome(
    "59.capital",
    "no: the target prompt does about as well from the country's name alone"
    if by_name[1] <= 0
    else "yes: nothing in the target prompt names the country or its capital",
)
plots.bars(
    {name: right.mean().item() for name, right in tests.items()},
    intervals={name: tuple(bootstrap(right)) for name, right in tests.items()},
    title="How often does the target prompt find the capital?",
    y="share of 32 countries",
)

# %% [markdown]
# Written as in the examples, the name alone gets **0.50**, and the state of layer 4 **0.47**. The two differ in five countries only, so no difference is shown, and 32 countries cannot show that there is none. In **72%** the two give the very same answer, right or wrong.
#
# Against the *same token* the state of layer 4 is better, with an interval above 0. (That token gives the same answers as the vector before block 0, as it must.) So blocks 0 to 3 have made the vector more useful to the target prompt. Two fair nulls, and two answers: which one you report must not depend on which one you like.
#
# **What stays.** The state beats its own embedding, and not the name. So it is not shown that the *capital* is in it: it may say more clearly *which country*, and the target prompt's own blocks may look up the rest. From layer 16 hardly anything is decoded, and that too is a fact about the target's remaining blocks as much as about the vector. The paper's authors know the problem for tokens that *need* context, such as the last token of a long name, where the name's last token alone fails; we have too few such names that SmolLM2 knows.
#
# **The same question for a newer method.** *Activation oracles* (Karvonen and colleagues, arXiv 2512.15674) are models trained to answer questions about activations. Ask of every answer: would a model that gets the prompt alone, or nothing but the question, say the same? A public critique (LessWrong, `LXQBcztrWKhtcgQfJ`, which we have at second hand) counts about half of the answers as generic. We know of no trained oracle for SmolLM2, so this lesson does not run that test.

# %% tags=["numbers"]
claim("name alone", tests["name, as in the examples"].mean().item(), text=0.50, within=0.07)
claim("patched at layer 4", tests["patched, layer 4"].mean().item(), text=0.47, within=0.07)
same = (said[4] == alone["name, as in the examples"]).float().mean().item()
claim("same answer, %", 100 * same, text=72, within=10)
assert by_name[1] < 0.05 < gains["name, the same token"][0]
assert gains["name, the same token"][1] > 0
assert (said[0] == alone["name, the same token"]).float().mean() > 0.9
assert decoded["layer 16"].mean() < 0.1

# %% [markdown]
# ## Case 3 · Training made this variable
#
# **The published claim.** *Distributed alignment search* (DAS; Geiger and colleagues, arXiv 2303.02536) looks for a variable of a causal model inside a network. It learns a subspace, so that an **interchange**, which replaces the base's part in the subspace by the source's, changes the output as the causal model says. The score is the **interchange accuracy** on new pairs.
#
# Our network reads six numbers. Its class is 1 where exactly one of two sums, of the first three and of the last three, is above 0 (an XOR of two signs). The variable: *is the first sum above 0?* The hidden layer after the first has 64 units. (Every number is in the same range, and chance is `0.5`.)

# %%
figures.diagram(
    {
        "base": (0, 0),
        "source": (0, -1),
        "hidden layer": (1.2, 0),
        "its hidden layer": (1.2, -1),
        "output: first sum of source,<br>second sum of base": (2.9, 0),
    },
    [
        ("base", "hidden layer"),
        ("source", "its hidden layer"),
        ("its hidden layer", "hidden layer", "part in the subspace"),
        ("hidden layer", "output: first sum of source,<br>second sum of base"),
    ],
    title="An interchange moves one variable from the source to the base",
    marked=["hidden layer"],
)

# %% [markdown]
# ### Exercise 3 · search for the subspace (10 minutes, medium)
#
# With orthonormal columns `Q`, the part of a vector `h` in the subspace is `h @ Q @ Q.T`.


# %% tags=["exercise:utils.cases.clinic.find_subspace"]
def find_subspace(
    low: Callable[[Tensor], Tensor],
    high: Callable[[Tensor], Tensor],
    draw: Callable[[], Swap],
    *,
    width: int,
    rank: int,
    steps: int,
    lr: float,
    generator: torch.Generator,
) -> Float[Tensor, "width rank"]:
    """Distributed alignment search: the subspace whose interchange gives the wanted labels.

    Starts from `torch.randn(width, rank, generator=generator)`. Its columns are made orthonormal
    by `torch.linalg.qr(...)`, inside the loop, so that the gradient passes through. Each of
    `steps` steps of Adam draws new pairs, exchanges what lies in the subspace, and lowers the mean
    cross-entropy of `high` on the exchanged hidden vectors.

    Args:
        low: inputs [pair, number] -> hidden vectors [pair, width].
        high: hidden vectors -> logits [pair, class].
        draw: gives new pairs, with `base`, `source` and `label`.

    Returns:
        Orthonormal columns, without a gradient.

    Source: Geiger et al., arXiv 2303.02536.
    """
    ### BEGIN SOLUTION
    raw = torch.randn(width, rank, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr)
    for _ in range(steps):
        pairs = draw()
        basis = torch.linalg.qr(raw).Q
        base, source = low(pairs.base), low(pairs.source)
        logits = high(base + (source - base) @ basis @ basis.T)
        loss = torch.nn.functional.cross_entropy(logits, pairs.label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.linalg.qr(raw).Q.detach()
    ### END SOLUTION


# %% tags=["check"]
find_subspace = lesson_59.check_find_subspace(find_subspace)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The leaf that Adam changes is the random matrix; the orthonormal one is made from it anew in each step. New pairs, too, are drawn in each step.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The exchanged vector is the base's plus the part of (source - base) in the subspace. After the loop: `torch.linalg.qr(raw).Q.detach()`.
#
# </details>

# %%
SEEDS = range(4)


def searched(network: clinic.Toy, seed: int) -> float:
    """The interchange accuracy on 4,000 new pairs, of a subspace of rank 4."""
    draws, settings = seeded(1000 + seed), {"width": 64, "rank": 4, "steps": 200, "lr": 0.01}
    draw = partial(clinic.draw_pairs, 256, generator=draws)
    basis = find_subspace(network.low, network.high, draw, generator=seeded(seed), **settings)
    return clinic.interchange_accuracy(network, basis, clinic.draw_pairs(4000, generator=draws))


def networks(learns: str) -> tuple[list[float], list[float]]:
    """Of a network for each seed, its accuracy and its interchange accuracy."""
    made = [clinic.toy(seed, learns=learns) for seed in SEEDS]
    return [each.right for each in made], [
        searched(*pair) for pair in zip(made, SEEDS, strict=True)
    ]


results = {"trained": networks("all"), "untrained twin": networks("none")}
plots.bars(
    {name: sum(found) / len(found) for name, (_, found) in results.items()},
    dots={name: found for name, (_, found) in results.items()},
    chance=0.5,
    title="Does DAS find the variable where it was learned?",
    y="interchange accuracy",
)

# %% [markdown]
# Four networks of each kind, 4,000 new pairs each. The search was the same, so this looks like a complete control. The base's own class, without any exchange, is right in half of the pairs.

# %%
predict(
    "59.das",
    "Is it shown that training made the variable in the first layer?",
    choices=[
        "real: the search was given to an untrained twin, and found nothing",
        "fake: the pairs of the test were used in the search",
        "fake: the untrained twin cannot answer at all, so it had to fail",
    ],
)

# %% [markdown]
# **The null.** Another twin: keep the random first layer, and train only the layers above it to do the task. Then ask again whether the variable is in the first layer, which no training has touched.

# %%
results["first layer untrained"] = networks("rest")
made = [clinic.toy(seed, learns="all") for seed in SEEDS]
by_chance = []
for seed, network in zip(SEEDS, made, strict=True):
    basis = torch.linalg.qr(torch.randn(64, 4, generator=seeded(seed))).Q
    fresh = clinic.draw_pairs(4000, generator=seeded(seed))
    by_chance.append(clinic.interchange_accuracy(network, basis, fresh))
drawn = ([each.right for each in made], by_chance)
untouched, learned = (torch.tensor(results[k][1]) for k in ("first layer untrained", "trained"))
outcome(
    "59.das",
    "fake: the untrained twin cannot answer at all, so it had to fail"
    if untouched.mean() >= learned.mean() - 0.05
    else "real: the search was given to an untrained twin, and found nothing",
)
plots.table(
    [
        (
            name,
            f"{sum(right) / 4:.2f}",
            ", ".join(f"{v:.2f}" for v in found),
            f"{sum(found) / 4:.2f}",
        )
        for name, (right, found) in {**results, "trained, random subspace": drawn}.items()
    ],
    columns=["network", "accuracy on the task", "interchange accuracy, four seeds", "mean"],
)

# %% [markdown]
# An untrained network was never fitted to the task, and most of those drawn here give one class to most inputs. Whatever is exchanged in the first layer, the wanted label can hardly come out. So this control could hardly have shown anything else, with or without a variable.
#
# A random subspace of the same rank is no better than chance, so the search does find something. But with a first layer that never learned, under layers that did, the search scores **0.92**: on average higher than with a trained one. The sum is a linear function of the input, and a wide random layer keeps such functions. So a high interchange accuracy shows that the variable can be *exchanged here*, and that the layers above use it. It does not show that training made it.
#
# **What stays.** The interchange is causal evidence, and the subspace is tested on new pairs. Sutter and colleagues (arXiv 2507.08802) go further: with non-linear maps in the place of the rotation, networks with random weights reached over `80%` (a small network) and nearly `100%` (Pythia, on indirect objects), and they prove that any network can be mapped to any algorithm if the map is free. Our maps are linear, and our variable was easy.

# %% tags=["numbers"]
claim("interchange, first layer untrained", untouched.mean().item(), text=0.92, within=0.03)
assert untouched.mean() > learned.mean() - 0.02 and max(results["untrained twin"][1]) < 0.7
assert max(by_chance) < 0.62

# %% [markdown]
# ## Case 4 · Truth transfers
#
# **The claim** is one of our own, from the first edition of lesson 2.1. A direction of truth is the mean of true statements less the mean of false ones, fitted in one family of statements. It sorts *other* families. A reviewer called the table worthless: it had no null over directions, and a probe that was near chance at home had scored `0.94` abroad. In that family almost anything seems to score high.

# %%
with open(root / "data" / "facts" / "sentiment.csv", encoding="utf-8") as file:
    feelings = clinic.facts_of(model, list(csv.DictReader(file)), layer=12)


def family(name: str, negated: str) -> clinic.Facts:
    chosen = (row for row in rows if row["family"] == name and row["negated"] in negated)
    return clinic.facts_of(model, list(chosen), layer=12)


all_of = {
    name: family(name, "01" if name in ("cities", "kinds") else "0")
    for name in ("capitals", "cities", "kinds", "opposites")
}
facts = {name: part.take(~part.negated) for name, part in all_of.items()}
transfer = {
    (home, abroad): clinic.auc(
        facts[abroad].x @ clinic.mean_gap(facts[home].x, facts[home].y), facts[abroad].y
    )
    for home in facts
    for abroad in facts
    if home != abroad
}
matrix = torch.tensor([[transfer.get((a, b), float("nan")) for b in facts] for a in facts])
plots.heatmap(
    matrix,
    title="Does truth transfer between families? AUC at layer 12",
    x="tested on",
    y="fitted on",
    rows=list(facts),
    columns=list(facts),
    text=[[f"{v:.2f}" if v == v else "-" for v in row] for row in matrix.tolist()],
)

# %% [markdown]
# 136 to 212 statements a family, none with "not". Chance is `0.5`. The best cell, from cities to kinds, is **0.96**.

# %% tags=["numbers"]
claim("cities to kinds", transfer["cities", "kinds"], text=0.96, within=0.03)

# %% [markdown]
# ### Investigation · which control? (3 minutes, easy)
#
# The reviewer's doubt is that *kinds* is easy for any direction. Which of these answers it?
#
# - **A** more statements at home, and a new split of them
# - **B** a binomial interval around `0.5`, for the number of statements abroad
# - **C** directions that know nothing of truth, scored on the same statements abroad
# - **D** a larger probe, with two layers

# %% tags=["answer:deciding"]
### BEGIN SOLUTION
deciding = ("C",)
### END SOLUTION

# %% tags=["check"]
deciding = lesson_59.check_deciding(deciding)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The statements abroad are not independent: few kinds come back again and again. Which of the four gives the spread of AUCs that this causes?
#
# </details>
# <details><summary>Hint 2</summary>
#
# A and D change the direction, and B takes the statements to be independent.
#
# </details>

# %%
predict(
    "59.transfer",
    "Random directions, and directions fitted to shuffled labels: how many of the 12 transfers lie outside 95% of both?",
    choices=["none or one", "two to eight", "nine or more"],
)

# %%
draws = seeded(0)
bands = {
    key: clinic.direction_band(facts[key[0]], facts[key[1]], n=60, generator=draws)
    for key in transfer
}
outside = [key for key, value in transfer.items() if value > max(b.high for b in bands[key])]
n_outside = len(outside)
outcome(
    "59.transfer",
    "none or one" if n_outside < 2 else "two to eight" if n_outside < 9 else "nine or more",
)
plots.table(
    [
        (f"{home} to {abroad}", f"{transfer[home, abroad]:.2f}")
        + tuple(f"{b.low:.2f} to {b.high:.2f}" for b in bands[home, abroad])
        + ("yes" if (home, abroad) in outside else "no",)
        for home, abroad in transfer
    ],
    columns=[
        "transfer",
        "AUC",
        "95% of random directions",
        "95% of shuffled labels",
        "outside both",
    ],
)

# %% [markdown]
# The reviewer was right about the table: on kinds, 95% of directions that know nothing spread over more than half of the scale. A cell of `0.7` there would mean nothing. And yet the claim survives: most transfers lie outside both bands. So the transfer is real. Is it *truth* that transfers? A rival is *likely text*: true statements are also likelier for the model. So take the pairs of a true and a false statement in which the *false* one is the likelier. Which one does the direction rank higher?


# %%
def log_probs(texts: Sequence[str]) -> Tensor:
    """The log-probability of each text, those of one length as a batch."""
    tokens = [model.to_tokens(text)[0] for text in texts]
    out = torch.zeros(len(tokens))
    for length in {len(each) for each in tokens}:
        alike = [i for i, each in enumerate(tokens) if len(each) == length]
        batch = torch.stack([tokens[i] for i in alike])
        out[alike] = -token_losses(model, batch[:, :1], batch[:, 1:]).sum(1).cpu()
    return out


likely = {
    name: log_probs(
        [row["statement"] for row in rows if row["family"] == name and row["negated"] == "0"]
    )
    for name in facts
}
unlikely = {
    name: percentiles(
        torch.tensor(
            [
                clinic.auc_against(part.x @ each, part.y, likely[name])[0]
                for each in random_directions(200, part.x[0], generator=seeded(1))
            ]
        )
    )
    for name, part in facts.items()
}
rivals = {
    (home, abroad): clinic.auc_against(
        facts[abroad].x @ clinic.mean_gap(facts[home].x, facts[home].y),
        facts[abroad].y,
        likely[abroad],
    )
    for home, abroad in transfer
}
plots.table(
    [
        (abroad, f"{clinic.auc(likely[abroad], facts[abroad].y):.2f}")
        + tuple(
            "; ".join(f"{x:.2f}" for x in some)
            for some in zip(
                *(
                    (transfer[home, abroad], rivals[home, abroad][0])
                    for home in facts
                    if home != abroad
                ),
                strict=True,
            )
        )
        + ("{:.2f} to {:.2f}".format(*unlikely[abroad]),)
        + (f"{rivals[next(k for k in rivals if k[1] == abroad)][1]:.0%}",)
        for abroad in facts
    ],
    columns=[
        "tested on",
        "AUC of likelihood alone",
        "three directions from elsewhere: AUC",
        "the same where the false one is likelier",
        "95% of random directions there",
        "of all pairs",
    ],
)

# %% [markdown]
# In these pairs nearly all of the 12 values lie within what random directions reach. (The pairs are few, and they share their statements, so the bands are wide. With *cities*, where likelihood is a poor judge and the pairs are many, two of three directions are at chance.) So that anything *beside* likelihood transfers is not shown. It is not excluded either.
#
# **What stays.** The claim survives the null that the reviewer asked for, and not the next one. In SmolLM2 at layer 12, something that goes with truth is shared between families, for statements *without "not"*; it may be how likely a statement is. The verdict is *open*. One of the results of the quiz bears on that limit.

# %% tags=["numbers"]
assert n_outside >= 7
within = [unlikely[key[1]].low < rivals[key][0] < unlikely[key[1]].high for key in rivals]
assert sum(within) >= 10
assert sorted(rivals[key][0] for key in rivals if key[1] == "cities")[1] < 0.55
assert sum(rivals[key][0] < transfer[key] for key in rivals) >= 10
assert all(b.high - b.low > 0.4 for b in bands["cities", "kinds"])

# %% [markdown]
# ## The quiz: eight results
#
# Eight new results on the same stream (layer 12). Some are real. Before you run any control, write your first verdicts: `True` for a claim that you expect to survive.

# %%
items = clinic.quiz(facts["capitals"], all_of["cities"], all_of["kinds"], feelings)
plots.table(
    [(i, item.claim, item.how, f"{item.value:.2f}") for i, item in enumerate(items, 1)],
    columns=["", "claim", "method", "result"],
)

# %%
first = [...] * 8  # your first verdicts: True where you expect that the claim survives, or False

# %% [markdown]
# ### Investigation · eight verdicts with eight controls (12 minutes, medium)
#
# `run(number, control)` runs one control on one result. You have six runs for eight results: spend them where you are least sure. Name for each result the control that decides:
#
# - `groups`: split by city or word, so that none is on both sides. For a probe that may know its test cases.
# - `fresh`: score on statements that nothing was chosen on.
# - `constant`: score an answer that is always the same.
# - `parts`: score the two halves of the test set apart, without "not" and with it.
#
# A claim survives if the control leaves it above chance, or above the constant answer; a claim of *nothing* survives if neither half is far from `0.5` (by more than `0.15`). A capital's *secret club* was drawn by a coin. Give the verdicts in the order of the table, as in `[(True, "fresh"), ...]`.

# %%
left = [6]


def run(number: int, control: str) -> None:
    """Runs a control on a result, while the budget lasts."""
    if not left[0]:
        print("The budget is spent: decide.")
        return
    left[0] -= 1
    print(f"{number}, {control}: {items[number - 1].controls[control]}. Runs left: {left[0]}")


# %% tags=["solution-only"]
for number, item in enumerate(items[:6], 1):
    run(number, item.decides[0])

# %% tags=["answer:sheet"]
### BEGIN SOLUTION
sheet = [
    (False, "groups"),
    (True, "fresh"),
    (True, "parts"),
    (False, "constant"),
    (True, "groups"),
    (False, "parts"),
    (True, "constant"),
    (False, "fresh"),
]
### END SOLUTION

# %% tags=["check"]
sheet = lesson_59.check_sheet(sheet)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# How was the result made? "The best of 576" was chosen on the 40 statements. A random half of *statements* may have the same city on both sides. A mean of two AUCs may hide what each of them is.
#
# </details>
# <details><summary>Hint 2</summary>
#
# An accuracy without the share of the commoner class says nothing. Each control decides about two results or more, and not all of them fall.
#
# </details>

# %% tags=["numbers"]
assert all(row[0] == item.real for row, item in zip(sheet, items, strict=True))
assert all(row[1] in item.decides for row, item in zip(sheet, items, strict=True))
assert sum(item.real for item in items) == 4

# %% [markdown]
# Your first verdicts were made without a control. The table sets them beside two rules that look at nothing: always *fake*, and a coin.

# %%
always = [(False, "fresh")] * 8
guessed = [
    (verdict if verdict is not ... else not item.real, "fresh")
    for verdict, item in zip(first, items, strict=True)
]
plots.table(
    [
        ("your first verdicts", clinic.score_sheet(items, guessed)[0], "-"),
        ("always fake", clinic.score_sheet(items, always)[0], "2, with one control for all"),
        ("a coin, on average", "4.0", "2.0"),
        ("after the controls", *clinic.score_sheet(items, sheet)),
    ],
    columns=["", "verdicts right, of 8", "deciding controls named, of 8"],
)

# %% [markdown]
# Each control decided about two results, and one of the two claims survived. (Where one number of 576 was chosen, `groups` does as well as `fresh`.) Results 3 and 6 were made in the same way, and so were 2 and 8, 1 and 5, 4 and 7: from the method alone you could not have told them apart. Result 6 shows the limit of case 4: with "not", the direction of truth turns round. It is no direction of *truth*.
#
# ## Going deeper: the text that a feature likes best
#
# Case 5. *Feature visualisation* on text searches for the tokens that excite a neuron, or a latent of an SAE, most. (With pictures it is a standard; for text see *Fluent dreaming*, arXiv 2402.01702.) The claim: what is found excites the latent about as strongly as the strongest text of a corpus, so it shows what the latent stands for.
#
# In the table, scores are in standard deviations above the mean over natural tokens (*natural deviations*).
#
# ### Exercise 4 · search with a gradient (12 minutes, hard)


# %% tags=["exercise:utils.cases.clinic.climb"]
def climb(
    excite: Callable[[Float[Tensor, "text pos d_model"]], Float[Tensor, " text"]],
    start: Int[Tensor, " pos"],
    embed: Float[Tensor, "d_vocab d_model"],
    *,
    steps: int,
    candidates: int,
    best: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, " pos"], float]:
    """Search for the tokens that excite something most, one exchange a step.

    At each step, the gradient of `excite` by the embeddings of the present tokens estimates what
    each exchange would give: for position p and token t, `gradient[p] @ embed[t]`. Keep the `best`
    tokens of each position by this estimate, draw `candidates` exchanges (a random position,
    then one of its tokens), run them, and take the one of the highest true score, if it is higher
    than the present score.

    Args:
        excite: embeddings of several texts -> a score of each; gradients pass through.
        start: ids of tokens.

    Returns:
        The tokens found, and their score.

    Source: greedy coordinate gradient (Zou et al., arXiv 2307.15043).
    """
    ### BEGIN SOLUTION
    tokens = start.clone()
    with torch.no_grad():
        score = excite(embed[tokens][None])[0].item()
    for _ in range(steps):
        now = embed[tokens].detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(excite(now[None]).sum(), now)
        likely = (gradient @ embed.detach().T).topk(best, dim=1).indices
        place = torch.randint(len(tokens), (candidates,), generator=generator)
        pick = torch.randint(best, (candidates,), generator=generator)
        tried = tokens.repeat(candidates, 1)
        tried[torch.arange(candidates), place] = likely[place, pick]
        with torch.no_grad():
            scores = excite(embed[tried])
        if scores.max() > score:
            tokens, score = tried[scores.argmax()], scores.max().item()
    return tokens, score
    ### END SOLUTION


# %% tags=["check"]
climb = lesson_59.check_climb(climb)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The gradient is by the embeddings of the present tokens: make `embed[tokens]` a leaf that requires a gradient, and use `torch.autograd.grad`. The estimate for all exchanges at once is [pos, d_vocab].
#
# </details>
# <details><summary>Hint 2</summary>
#
# All candidates are one batch of token ids: repeat the present tokens, and write one exchange into each row. The true score is `excite(embed[tried])`.
#
# </details>

# %%
sae = load_sae(root / "data" / "sae" / "smollm2", device=device).requires_grad_(False)
reading = load_split(root / "data" / "sae" / "smollm2", split="reading")
NAME = "blocks.15.hook_resid_pre"
bos = torch.tensor([model.tokenizer.bos_token_id], device=device)
embed = model.embed.weight.detach()


def at_last(embeddings: Float[Tensor, "text pos d_model"]) -> Float[Tensor, "text d_model"]:
    """The stream before block 15 at the last token of texts given as embeddings."""
    kept, front = {}, embed[bos].expand(len(embeddings), 1, -1)
    full = torch.cat([front, embeddings], dim=1)
    hooks = [
        ("hook_embed", lambda _, hook: full),
        (NAME, lambda resid, hook: kept.update(x=resid[:, -1])),
    ]
    blank = torch.zeros(full.shape[:2], dtype=torch.long, device=device)
    model.run_with_hooks(blank, fwd_hooks=hooks, stop_at_layer=16)
    return kept["x"]


texts = [reading.texts.tokens[reading.texts.text == i][:60].to(device) for i in range(15)]
with torch.no_grad():
    natural = torch.cat(
        [
            model.run_with_cache(
                torch.cat([bos, text])[None], names_filter=[NAME], stop_at_layer=16
            )[1][NAME][0, 1:]
            for text in texts
        ]
    )
natural = natural[natural.norm(dim=1) < 3 * natural.norm(dim=1).median()]


def dreamt(direction: Float[Tensor, " d_model"], seed: int) -> tuple[str, float, float]:
    """The text found; the strongest natural token, and the found text, in natural deviations."""
    drawn = torch.randint(5, len(embed), (4,), generator=seeded(seed)).to(device)
    how = {"steps": 6, "candidates": 24, "best": 16, "generator": seeded(seed)}
    tokens, score = climb(lambda e: at_last(e) @ direction, drawn, embed, **how)
    scores = natural @ direction
    mean, deviation = scores.mean(), scores.std()
    top, found = ((value - mean) / deviation for value in (scores.max(), score))
    return model.to_string(tokens), top.item(), found.item()


with torch.no_grad():
    fires = (sae.encode(natural) > 0).sum(0) >= 3  # else its strongest natural token is none of its
chosen = fires.nonzero()[:, 0][torch.randperm(int(fires.sum()), generator=seeded(0))[:4]].tolist()
directions = {f"latent {i}": sae.W_enc[:, i] for i in chosen}
found = {name: dreamt(each, seed) for seed, (name, each) in enumerate(directions.items())}
plots.table(
    [
        (name, repr(text), f"{top:.1f}", f"{value:.1f}")
        for name, (text, top, value) in found.items()
    ],
    columns=["latent (drawn at random)", "found text", "strongest of 855 tokens", "found text's"],
)

# %%
predict(
    "59.dream",
    "The same search for random directions: does it reach their strongest natural token as often?",
    choices=[
        "real: only latents have texts that excite them so",
        "fake: random directions do, too",
    ],
)

# %%
others = random_directions(4, torch.ones(576), generator=seeded(9)).to(device)
chance = {f"random {i}": dreamt(each, i) for i, each in enumerate(others)}
ratio = {
    who: torch.tensor([value / top for _, top, value in some.values()])
    for who, some in (("latents", found), ("random directions", chance))
}
ours, theirs = (ratio[who].mean() for who in ratio)
outcome(
    "59.dream",
    "fake: random directions do, too"
    if theirs > 0.75 * ours
    else "real: only latents have texts that excite them so",
)
plots.bars(
    {who: each.mean().item() for who, each in ratio.items()},
    dots={who: each.tolist() for who, each in ratio.items()},
    chance=1.0,
    title="Does the search excite random directions less?",
    y="found / strongest natural",
)

# %%
plots.table(
    [(name, repr(text)) for name, (text, _, _) in chance.items()],
    columns=["random direction", "found text"],
)

# %% [markdown]
# For a direction that stands for nothing, the same short search finds four tokens that excite it about as much as the strongest of 855 natural tokens do. Latents are reached no better. (Their strongest natural tokens are stronger, so a part of the difference lies in what we divide by.) So a strongly exciting text is no evidence that a direction stands for anything.
#
# **What stays.** The latents were drawn among those active on at least three of the 855 tokens: for a latent that is silent there, any text looks strong. In a larger corpus the strongest natural token of a latent is stronger still, and four of each kind are few. A longer search, and a penalty for unlikely text as in *Fluent dreaming*, may separate the two. That would be a result; this figure is none.

# %% tags=["numbers"]
assert ratio["random directions"].mean() > 0.6 and ratio["random directions"].max() > 0.8

# %% [markdown]
# ## Results

# %% tags=["results"]
# Our results, their controls, and the published ones.
plots.table(
    [
        (
            "introspection: shift of Yes less No",
            f"{detect.mean():+.2f}, detection questions",
            f"{table['concepts']['factual, No is right'].mean():+.2f}, factual questions",
            "about 20% detected and named, no false alarm (Claude Opus 4.1; arXiv 2601.01828, from summaries of it)",
        ),
        (
            "patchscope: capital decoded",
            f"{tests['patched, layer 4'].mean():.2f}, layer 4",
            f"{tests['name, as in the examples'].mean():.2f}, the name alone; {tests['name, the same token'].mean():.2f}, its token",
            "attributes extracted earlier than by probes (GPT-J 6B and larger; arXiv 2401.06102)",
        ),
        (
            "DAS: interchange accuracy",
            f"{learned.mean():.2f}, small trained network",
            f"{untouched.mean():.2f}, untrained first layer",
            "random weights, non-linear maps: over 80% (small network), about 100% (Pythia; arXiv 2507.08802, from summaries of it)",
        ),
        (
            "truth, cities to kinds: AUC",
            f"{transfer['cities', 'kinds']:.2f}",
            f"{bands['cities', 'kinds'][0].high:.2f}, top of 95% of random directions",
            "-",
        ),
    ],
    columns=[
        "",
        "ours (SmolLM2-135M-Instruct, or a small network)",
        "control",
        "published, with its model",
    ],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. In case 1, a larger model answers the factual questions right under injection, and says Yes to detection. What would you still test?
# 2. When is the prompt-only baseline of case 2 unfair to the method?
# 3. Case 3's first control could hardly fail. How can you tell, before running it, that a control can?
# 4. Case 4's claim survived one null and not the next. When may you stop asking for controls?
#
# ## Common mistakes
#
# - Saying "fake" because a control is missing. A missing control leaves a claim open.
# - Taking the first control that comes to mind, and stopping when it passes.
# - Comparing with `0.5` where the classes are not equal, or where directions that know nothing reach `0.8`.
# - Reading a mean over two groups that go opposite ways.
# - Carrying a null from a small model to a claim about a large one.
#
# ## Where this breaks
#
# One model of 135M parameters, and a network of three layers. Our nulls show that our versions of the figures do not carry the claims; for the published ones this has to be tested there. The quiz has eight results of four kinds of flaw. In research, the deciding control is not on a list.
#
# ## Further reading
#
# - Lindsey (2026), *Emergent Introspective Awareness in Large Language Models*, arXiv 2601.01828
# - Ghandeharioun et al. (2024), *Patchscopes*, arXiv 2401.06102
# - Karvonen et al. (2025), *Activation Oracles*, arXiv 2512.15674
# - Geiger et al. (2023), *Finding Alignments Between Interpretable Causal Variables and Distributed Neural Representations*, arXiv 2303.02536
# - Sutter et al. (2025), *The Non-Linear Representation Dilemma*, arXiv 2507.08802
# - Zou et al. (2023), *Universal and Transferable Adversarial Attacks*, arXiv 2307.15043, for the search of case 5
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.7 · Subliminal learning, and its dispute](57_subliminal_learning.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/57_subliminal_learning.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("59")
