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
# # 4.5 · Model diffing: what did fine-tuning add?
#
# [![Open lesson 4.5 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/45_model_diffing.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.4 · Transcoders and attribution graphs](44_attribution_graphs.ipynb) | **Next:** [5.1 · How a reasoning model checks itself](51_self_verification.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/44_attribution_graphs.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. train one sparse code for two models, a crosscoder, under two rules of sparsity;
# 2. find the features that it wrongly says only one model has, and say why;
# 3. judge a search that finds nothing, by planting something to be found.
#
# **Time** 70 minutes for the core, and 5 minutes for *Going deeper*. **Needs** lessons 4.2: sparse autoencoders; 2.1: controls.
# **Runs** in about three minutes on a laptop's processor.
#
# **First, play.** Two toy models hold the same 64 features, but for four of them: two are in the second model alone, and two in the first alone. Ten others are only *weaker* in the first. A **crosscoder** is trained on both, and says of each feature how strong it is in either model. Drag the slider: a stronger penalty makes the code sparser. How many features does the crosscoder say the second model has alone?

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
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from data.chat.task import texts as chat_texts
from data.planted import task
from data.planted.task import adapted, chat_rows, requests
from utils import plots
from utils.checks import lesson_45
from utils.checks.predict import outcome, predict
from utils.circuits.figures import diagram
from utils.features import diffing
from utils.features.diffing import (
    Crosscoder,
    decode,
    decoder_norms,
    draw_pair,
    new_crosscoder,
    norm_ratio,
    planted_pair,
)
from utils.lesson import claim
from utils.models import load
from utils.reading.figures import slider


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def train(
    sample: Callable[[], Tensor],
    *,
    encode: Callable = diffing.encode,
    loss: Callable = diffing.crosscoder_loss,
    penalty: float | None = None,
    k: float | None = None,
    n_latents: int = 96,
    steps: int = 1200,
    lr: float = 3e-3,
    seed: int = 0,
) -> Crosscoder:
    """Train a crosscoder on fresh batches: with a penalty (L1), or with BatchTopK."""
    coder = new_crosscoder(sample().shape[-1], n_latents, generator=seeded(seed))
    adam = torch.optim.Adam(coder, lr=lr)
    for step in range(steps):
        adam.param_groups[0]["lr"] = lr * min(1, (steps - step) / (0.3 * steps))
        x = sample()
        if k is None:  # the penalty rises at first
            now = loss(coder, x, encode(coder, x), penalty=penalty * min(1, 10 * step / steps))
        else:  # k falls at first, which leaves fewer latents unused
            active = k + (12 - k) * max(0, 1 - 2 * step / steps)
            now = loss(coder, x, encode(coder, x, k=active), penalty=0.0)
        adam.zero_grad()
        now.backward()
        adam.step()
    return Crosscoder(*(weight.detach() for weight in coder))


# %% tags=["folded"]
# Trains three crosscoders on the toy pair, and draws what each says. Drag the slider.
WEAK = (0.06, 0.1, 0.2, 0.3, 0.5)
pair = planted_pair(WEAK, generator=seeded(0))
draws = seeded(1)
x_test, _ = draw_pair(pair, 8000, generator=seeded(2))
PENALTIES = [0.02, 0.05, 0.15]
EXCLUSIVE = 0.03


def sample_pair() -> Float[Tensor, "model=2 batch d_model"]:
    return draw_pair(pair, 256, generator=draws)[0]


def true_ratio() -> Tensor:
    return pair.scale[0] / pair.scale[1].clamp(min=1e-9)


def by_feature(
    coder: Crosscoder, f: Tensor, values: Tensor, matched: Callable = diffing.matched_latents
) -> dict[int, float]:
    """What a latent's value is for each feature in the tuned model that some latent matches."""
    found = matched(coder, pair, f)
    return {i: values[found[i]].item() for i in found if pair.scale[1, i] > 0}


def label(feature: int) -> str:
    """Its number, and of two at one place the second above the first."""
    return str(feature) + "<br> " * (feature % 2)


played = [train(sample_pair, penalty=penalty) for penalty in PENALTIES]


def said(i: int):
    coder = played[i]
    ratios = by_feature(coder, diffing.encode(coder, x_test), norm_ratio(coder))
    alone = [feature for feature, ratio in ratios.items() if ratio < EXCLUSIVE]
    return plots.scatter(
        {label(j): (true_ratio()[j].item(), ratio) for j, ratio in ratios.items()},
        title=f"Penalty {PENALTIES[i]}: {len(alone)} features are said to be in the second alone",
        x="true strength in the first model, over that in the second",
        y="the crosscoder's",
        named=[label(j) for j in alone],
        diagonal="as it should be",
    )


slider(said, n=len(PENALTIES), label="penalty", names=PENALTIES, at=2)

# %% [markdown]
# Two features are in the second model alone (bottom left). With a strong penalty more are named. Why that is, and what helps, is the first half of this lesson. The second half asks a fine-tuned SmolLM2.
#
# ## 1. A code for two models
#
# Lesson 4.2's SAE describes the activations of one model. A **crosscoder** (Lindsey and colleagues, 2024) describes those of two models on the same tokens: a **base** model (0) and one that was made from it, the **tuned** one (1). A **latent** has *one* activation, computed from both models, and *two* decoder rows, one for each model.

# %% tags=["folded"]
diagram(
    {
        "base model,<br>x[0]": (0, 1),
        "tuned model,<br>x[1]": (0, 0),
        "latents f": (2, 0.5),
        "base,<br>rebuilt": (4, 1),
        "tuned,<br>rebuilt": (4, 0),
    },
    [
        ("base model,<br>x[0]", "latents f"),
        ("tuned model,<br>x[1]", "latents f"),
        ("latents f", "base,<br>rebuilt", "W_dec[0]"),
        ("latents f", "tuned,<br>rebuilt", "W_dec[1]"),
    ],
    title="One activation a latent, one decoder row a model",
    marked=["latents f"],
)

# %% [markdown]
# A latent's **norm ratio** is the length of its decoder row in the base model over that in the tuned one. Near 1: both models have the feature. Near 0: the tuned model has it **exclusively**. That is the attraction: which features did the fine-tuning add?
#
# ### Exercise 1 · the activations (8 minutes, medium)
#
# f = ReLU(x[0] W_enc[0] + x[1] W_enc[1] + b_enc): the activations x as they are, nothing subtracted. There are two rules of sparsity: a penalty alone, and **BatchTopK**, which keeps a number of activations in each batch.


# %% tags=["exercise:utils.features.diffing.encode"]
def encode(
    coder, x: Float[Tensor, "model=2 batch d_model"], *, k: float | None = None
) -> Float[Tensor, "batch latent"]:
    """Activations of the latents: one for both models.

    Args:
        k: BatchTopK: of the whole batch keep the `int(k * batch)` activations that are largest
            times the sum of their two decoder norms, and set the rest to 0. None keeps all above 0.

    Source: Lindsey et al. (2024), transformer-circuits.pub/2024/crosscoders; BatchTopK for
    crosscoders: Minder et al. (2025), arXiv 2504.02922.
    """
    ### BEGIN SOLUTION
    f = (torch.einsum("mbd,mdl->bl", x, coder.W_enc) + coder.b_enc).relu()
    if k is None:
        return f
    size = f * decoder_norms(coder).sum(0)
    return f * (size >= size.flatten().topk(max(1, int(k * len(f)))).values[-1])
    ### END SOLUTION


# %% tags=["check"]
encode = lesson_45.check_encode(encode)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The sum over both models of `x[m] @ W_enc[m]`, plus `b_enc`, through a ReLU: `torch.einsum("mbd,mdl->bl", x, coder.W_enc)` does the sum.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For BatchTopK compute a size for each activation, `f * decoder_norms(coder).sum(0)`. The threshold is the smallest of the `int(k * len(f))` largest sizes: `size.flatten().topk(n).values[-1]`.
#
# </details>

# %% [markdown]
# ### Exercise 2 · the loss (8 minutes, medium)
#
# A latent could escape a penalty on its activation by a small activation and a large decoder row. So the penalty multiplies the activation by the lengths of its rows.


# %% tags=["exercise:utils.features.diffing.crosscoder_loss"]
def crosscoder_loss(
    coder,
    x: Float[Tensor, "model=2 batch d_model"],
    f: Float[Tensor, "batch latent"],
    *,
    penalty: float,
) -> Float[Tensor, ""]:
    """The squared errors of both models, summed, and the penalty, as means over the batch.

    The penalty of a latent is its activation times the *sum of its two decoder norms*.

    Args:
        f: the latents' activations on x.

    Source: Lindsey et al. (2024), transformer-circuits.pub/2024/crosscoders.
    """
    ### BEGIN SOLUTION
    error = (decode(coder, f) - x).square().sum(-1).sum(0)
    sparsity = (f * decoder_norms(coder).sum(0)).sum(-1)
    return (error + penalty * sparsity).mean()
    ### END SOLUTION


# %% tags=["check"]
crosscoder_loss = lesson_45.check_crosscoder_loss(crosscoder_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `decode(coder, f) - x` is [model batch d_model]. Square it, sum over the dimensions and the models, and take the mean over the batch at the very end.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The penalty of a row of the batch: `(f * decoder_norms(coder).sum(0)).sum(-1)`.
#
# </details>

# %% [markdown]
# ### Exercise 3 · which latent is which feature? (10 minutes, medium)
#
# In the toy we know the features, and can look up which latent stands for each. `pair.directions` [feature d_model] are their directions, of length 1; `pair.scale` [model feature] says how strong each is in the base model and in the tuned one, 0 where it is not there. Compare a feature with the decoder rows of the tuned model, or, if only the base model has it, of that one.


# %% tags=["exercise:utils.features.diffing.matched_latents"]
def matched_latents(
    coder, pair, f: Float[Tensor, "batch latent"], *, least: float = 0.9
) -> dict[int, int]:
    """Feature -> the active latent most like it, if the cosine of the decoder is at least that."""
    ### BEGIN SOLUTION
    active = (f > 0).any(0)
    found = {}
    for i, direction in enumerate(pair.directions):
        model = int(pair.scale[1, i] > 0)
        rows = torch.nn.functional.normalize(coder.W_dec[model], dim=-1)
        cosine = (rows @ direction).masked_fill(~active, -1)
        if cosine.max() >= least:
            found[i] = int(cosine.argmax())
    return found
    ### END SOLUTION


# %% tags=["check"]
matched_latents = lesson_45.check_matched_latents(matched_latents)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For feature i take the decoder rows of the model that has it: the tuned one, unless `pair.scale[1, i]` is 0. Divide the rows by their lengths; the directions have length 1.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A latent is active if `(f > 0).any(0)`. Give the others a cosine of -1 (`masked_fill`), then take the `max()`, and its `argmax()` where it is at least `least`.
#
# </details>

# %% [markdown]
# Now train one of each kind on the toy pair, with your functions. (The loop is `train`, above; read it.) BatchTopK keeps `2.6` latents a token, as many as are active at a token: each of 64 at 4% of them.
#
# We call a feature exclusive below a ratio of `0.03`, which is less than the weakest feature has.

# %%
predict(
    "45.false",
    "L1 at penalty 0.15, and BatchTopK. Two features are in the tuned model alone. Which names more than two?",
    choices=["both", "L1 alone", "BatchTopK alone", "neither"],
)

# %%
HOW = {"L1": {"penalty": 0.15}, "BatchTopK": {"k": 2.6}}
coders, active, ratios = {}, {}, {}
for kind, how in HOW.items():
    coders[kind] = train(sample_pair, encode=encode, loss=crosscoder_loss, **how)
    active[kind] = encode(coders[kind], x_test, k=how.get("k"))
    ratios[kind] = by_feature(coders[kind], active[kind], norm_ratio(coders[kind]), matched_latents)
named = {kind: [i for i, r in ratios[kind].items() if r < EXCLUSIVE] for kind in HOW}
false = {kind: sum(pair.scale[0, i].item() > 0 for i in named[kind]) for kind in HOW}
more = [kind for kind in HOW if len(named[kind]) > 2]
said_of = {("L1",): "L1 alone", ("BatchTopK",): "BatchTopK alone", (): "neither"}
outcome("45.false", said_of.get(tuple(more), "both"))
plots.table(
    [
        (
            kind,
            f"{len(matched_latents(coders[kind], pair, active[kind]))} of 64",
            f"{(active[kind] > 0).sum(1).float().mean():.1f}",
            len(named[kind]),
            false[kind],
        )
        for kind in HOW
    ],
    columns=[
        "rule",
        "features found",
        "latents active a token",
        "called exclusive",
        "of these false",
    ],
)

# %% [markdown]
# L1 calls **6** features exclusive, and **4** of them are in both models. BatchTopK calls **2**, both rightly. Look at the weak features, with the penalty's arithmetic beside them.
#
# ## 2. Why: shrinkage
#
# A latent with activation f pays the penalty for the length of each row. The best length for a feature of scale s in a model is not s, but s less an **offset**, and 0 where s is smaller than that. Setting the derivative of the expected loss to 0 gives an offset of `penalty * E[f] / (2 E[f²])`, over the tokens where the feature is active. For activations spread evenly between `0.5` and `1.5`, E[f] is 1 and E[f²] is 1 + 1/12; with a penalty of `0.15` the offset is `0.07`. So a feature whose scale in the base model is below that loses its base row altogether: **complete shrinkage**.

# %%
OFFSET = 0.15 * 1 / (2 * (1 + 1 / 12))  # E[f] = 1, E[f²] = 1 + 1/12


def weak_ratios(values: dict[int, float]) -> list[float]:
    """The mean over the features of each weak strength."""
    return [(values[2 * i] + values[2 * i + 1]) / 2 for i in range(len(WEAK))]


theory = [max(0, s - OFFSET) / (1 - OFFSET) for s in WEAK]
plots.lines(
    {
        "as it should be": WEAK,
        "L1": weak_ratios(ratios["L1"]),
        "L1, by the arithmetic": theory,
        "BatchTopK": weak_ratios(ratios["BatchTopK"]),
    },
    title="L1 shrinks what is weak in the base model; BatchTopK does not",
    x="true strength in the base model",
    y="the crosscoder's norm ratio",
    at=WEAK,
)

# %% [markdown]
# The arithmetic gives the direction; the trained crosscoder shrinks about twice as much, and loses the features of scale `0.1`, too. So "exclusive" in an L1 crosscoder can mean "weak", which is another thing than "not there".
#
# ### Exercise 4 · latent scaling (15 minutes, hard)
#
# Do not ask the decoder then, ask the activations (Minder and colleagues, 2025). Is the latent's direction *in* the base model, at the tokens where the latent is active?


# %% tags=["exercise:utils.features.diffing.latent_scaling"]
def latent_scaling(
    coder, x: Float[Tensor, "model=2 batch d_model"], f: Float[Tensor, "batch latent"]
) -> Float[Tensor, "model=2 latent"]:
    """How much of each latent is in each model, asked of the activations and not of the decoder.

    For latent j take what all *other* latents leave of a model's activations. Over the batch, fit
    it by one number times `f[:, j] * W_dec[1, j]`, the latent's part in the tuned model, by least
    squares. Near 1 for the tuned model; the base model's is 0 for a latent that it has not.
    A latent that is never active gets NaN.

    Source: latent scaling (Minder et al., 2025, arXiv 2504.02922), on error and own part together.
    """
    ### BEGIN SOLUTION
    error = x - decode(coder, f)
    tuned = coder.W_dec[1]
    left = torch.einsum("bl,mbd,ld->ml", f, error, tuned)
    power = f.square().sum(0)
    own = power * (coder.W_dec * tuned).sum(-1)
    return (left + own) / (power * tuned.square().sum(-1))
    ### END SOLUTION


# %% tags=["check"]
latent_scaling = lesson_45.check_latent_scaling(latent_scaling)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# What all other latents leave of model m: the error `x[m] - decode(coder, f)[m]`, plus latent j's own part `f[:, j] * W_dec[m, j]`. The number that fits y best by a multiple of z is `(y · z) / (z · z)`, over all tokens and dimensions. Here z is `f[:, j] * W_dec[1, j]` for *both* models.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For all latents at once: the error's part is `torch.einsum("bl,mbd,ld->ml", f, error, W_dec[1])`, the own part `f².sum(0) * (W_dec * W_dec[1]).sum(-1)`, and z · z is `f².sum(0) * (W_dec[1]²).sum(-1)`.
#
# </details>

# %%
scaling = latent_scaling(coders["L1"], x_test, active["L1"])
asked = by_feature(coders["L1"], active["L1"], scaling[0] / scaling[1], matched_latents)
still = [i for i in named["L1"] if asked[i] < EXCLUSIVE]
plots.table(
    [
        (
            f"{s:.2f}",
            *(
                f"{values[i]:.2f}"
                for values in (
                    weak_ratios(ratios["L1"]),
                    weak_ratios(asked),
                    weak_ratios(ratios["BatchTopK"]),
                )
            ),
        )
        for i, s in enumerate(WEAK)
    ]
    + [
        (
            "in the tuned alone",
            *(
                ", ".join(f"{values[i]:.2f}" for i in (10, 11))
                for values in (ratios["L1"], asked, ratios["BatchTopK"])
            ),
        )
    ],
    columns=[
        "strength in the base model",
        "L1, norm ratio",
        "L1, latent scaling",
        "BatchTopK, norm ratio",
    ],
)

# %% [markdown]
# Latent scaling undoes the shrinkage: a feature of strength `0.1` gets about as much, and of those that L1 called exclusive the two right ones are left. It needs nothing new but the activations.
#
# ## 3. Over to you
#
# A pair that you do not know: six features are weak in the base model, some are in the tuned model alone, and some in the base model alone; how many is drawn by chance. An L1 crosscoder is trained on it. How many of the latents that it calls exclusive are features of the tuned model alone?
#
# ### Investigation · how many are exclusive? (8 minutes, medium)

# %%
how_many = torch.randint(2, 8, (2,), generator=seeded(45)).tolist()  # do not print this one
unknown = planted_pair((0.06, 0.08, 0.1), only=tuple(how_many), generator=seeded(46))
unknown_draws = seeded(47)
mystery = train(lambda: draw_pair(unknown, 256, generator=unknown_draws)[0], penalty=0.15, seed=3)
x_mystery, _ = draw_pair(unknown, 8000, generator=seeded(48))
f_mystery = diffing.encode(mystery, x_mystery)
fires = (f_mystery > 0).float().mean(0) > 0.005
print("called exclusive:", int((norm_ratio(mystery)[fires] < EXCLUSIVE).sum()), "latents")

# %% tags=["solution-only"]
scaled = latent_scaling(mystery, x_mystery, f_mystery)
suspects = fires & (norm_ratio(mystery) < EXCLUSIVE)
exactly = (scaled[0] / scaled[1])[suspects].sort().values
print(exactly)
exactly = exactly[exactly < 0.02]

# %% tags=["answer:n_exclusive"]
### BEGIN SOLUTION
n_exclusive = {4}
### END SOLUTION

# %% tags=["check"]
n_exclusive = lesson_45.check_n_exclusive(n_exclusive)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Take the latents that `fires` and whose norm ratio is below `EXCLUSIVE`, and ask `latent_scaling` of them, on `x_mystery` and `f_mystery`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Sort the values of base over tuned. Those that the base model has not are at 0, but for noise of about `0.01`. Where is the first gap?
#
# </details>

# %% [markdown]
# ## 4. A real pair: does fine-tuning move the features?
#
# SmolLM2 and the same with an **adapter**, a small trained change of the weights in blocks 10 to 29, that makes it refuse requests about animals and food (lesson 5.6 looks at it closely). We train a BatchTopK crosscoder on the residual stream before block 22, on requests and on other text.
#
# The threshold is looser than in the toy: real latents are noisier. A latent below `0.25` is at least four times stronger in the tuned model.
#
# A search that finds nothing proves nothing, unless it would have found something. So we run it a second time with a **planted** difference: twelve random directions, each added to the tuned model's stream at 6% of the tokens, with a strength of `0.2`, `0.4` or `0.8` of a typical (centred) stream.

# %%
predict(
    "45.real",
    "How many of 256 latents are exclusive to the tuned model (scaling of base over tuned below 0.25)?",
    choices=["none", "1 to 5", "more than 5"],
)

# %%
model, LAYER = load().requires_grad_(False), 22
ROWS = chat_rows(model, [request for field in task.FIELDS for request in requests(field, n=16)])
ROWS += [
    torch.cat([torch.tensor([model.tokenizer.bos_token_id]), row[:30].long()])
    for row in chat_texts("train")[:100]
]


def streams() -> Float[Tensor, "token d_model"]:
    """The stream before block LAYER at all tokens but the first, which is always the same."""
    kept = []
    with model.hooks(
        fwd_hooks=[(f"blocks.{LAYER}.hook_resid_pre", lambda resid, hook: kept.append(resid))]
    ):
        for row in ROWS:
            model(row[None], stop_at_layer=LAYER + 1)
    return torch.cat([resid[0, 1:] for resid in kept])


base = streams()
with adapted(model, "refuser"):
    tuned = streams()
x_real = torch.stack([base, tuned])
x_real = x_real - x_real.mean(1, keepdim=True)
x_real = x_real / x_real.norm(dim=-1).mean()

STRENGTHS = torch.tensor([0.2, 0.4, 0.8]).repeat_interleave(4)
planted_rows = torch.nn.functional.normalize(torch.randn(12, 576, generator=seeded(5)), dim=-1)
at = torch.rand(x_real.shape[1], 12, generator=seeded(6)) < 0.06
x_planted = x_real.clone()
x_planted[1] += (at * STRENGTHS) @ planted_rows


def trained_on(x: Float[Tensor, "model=2 token d_model"]) -> Crosscoder:
    picks = seeded(7)
    return train(
        lambda: x[:, torch.randint(x.shape[1], (256,), generator=picks)],
        encode=encode,
        loss=crosscoder_loss,
        k=12,
        n_latents=256,
        steps=500,
        lr=2e-3,
    )


real, with_planted = trained_on(x_real), trained_on(x_planted)
f_real, f_planted = encode(real, x_real, k=12), encode(with_planted, x_planted, k=12)


def in_base(coder: Crosscoder, x: Tensor, f: Tensor) -> Float[Tensor, " latent"]:
    """Latent scaling, the base model's over the tuned one's, of latents that are in use."""
    scaling = latent_scaling(coder, x, f)
    return (scaling[0] / scaling[1]).masked_fill((f > 0).sum(0) <= 5, torch.nan)


share, share_too = in_base(real, x_real, f_real), in_base(with_planted, x_planted, f_planted)
n_real, n_planted = (int((each < 0.25).sum()) for each in (share, share_too))
outcome("45.real", "none" if n_real == 0 else "1 to 5" if n_real <= 5 else "more than 5")
rows = torch.nn.functional.normalize(with_planted.W_dec[1], dim=-1)
cosines = (rows @ planted_rows.T).masked_fill(share_too.isnan()[:, None], -1)
best, nearest = cosines.max(0), cosines.max(1).values[share_too < 0.25]
found = {s: int((best.values[s == STRENGTHS] > 0.7).sum()) for s in (0.2, 0.4, 0.8)}
left = (decode(real, f_real) - x_real).square().sum((1, 2)) / x_real.square().sum((1, 2))
typical = (f_real * decoder_norms(real)[1])[f_real > 0].median().item()
print(f"size of the two models' difference: {(x_real[1] - x_real[0]).norm(dim=-1).mean():.2f}")
print(f"size of a latent's part where it is active, median: {typical:.2f}")
print(f"unexplained: {left[0]:.2f} of the base model, {left[1]:.2f} of the tuned one")
print(f"exclusive latents: {n_real}; lowest scaling {share.nan_to_num(1).min():.2f}")
print(
    f"exclusive latents with planted features: {n_planted}, "
    f"{(nearest > 0.7).sum()} of them like a planted one"
)
plots.table(
    [
        (
            f"{s:.1f}",
            f"{n} of 4",
            *(
                ", ".join(f"{x:.2f}" for x in values[best.indices][s == STRENGTHS].tolist())
                for values in (norm_ratio(with_planted), share_too)
            ),
        )
        for s, n in found.items()
    ],
    columns=[
        "strength",
        "found (cosine above 0.7)",
        "norm ratio of the most similar latent",
        "its scaling, base over tuned",
    ],
)

# %% [markdown]
# None: every latent in use is in the base model, at about half of its strength in the tuned one or more. With the planted features the same search finds all four of strength `0.8` and the four of `0.4`, and none of `0.2`. (More than eight latents are exclusive, here all of them like a planted feature: some features have two.) So in this training run a feature as strong as `0.4`, at some 6% of the tokens, would have been found. That is about three times what a latent typically adds (**0.13**), and more than the two models differ on average. A weaker or rarer feature would have been missed.
#
# Look at the norm ratios, too. The strongest planted features are in the tuned model alone, and their ratios are far from 0, up to **0.38** (between `0.3` and `0.6` at three other seeds): after a short training the base rows have not shrunk to 0. By the ratio alone we should have missed most of them; latent scaling says at most `0.11` here. Without a planted feature one would not know which of the two to believe.
#
# And yet the two models behave quite differently: one refuses. Where is that?

# %%
moved = x_real[1] - x_real[0]
coded = f_real @ (real.W_dec[1] - real.W_dec[0]) + (real.b_dec[1] - real.b_dec[0])
explained = 1 - ((moved - coded).square().sum() / moved.square().sum()).item()
spectrum = torch.linalg.svdvals(moved).square()
by_12 = (spectrum[:12].sum() / spectrum.sum()).item()
print(f"of the two models' difference, the crosscoder explains {explained:.2f}")
print(f"and its own first 12 principal components {by_12:.2f}")

# %% [markdown]
# The crosscoder explains a few hundredths of the difference of the two models. Its loss counts squared errors, and the difference is small beside what the models share, so the latents are spent on what they share. "No feature was added" is therefore a statement about large features. The difference is not without form: 12 principal components of its own hold **45%** of it. Lesson 5.6 looks at the difference itself, and finds a direction that refuses.
#
# Do features stay put under fine-tuning? We found none that was added. Whether any turned or grew we did not measure, but for the scaling, and one halved in the base model. What changed is smaller than the features that a crosscoder of 256 latents sees.
#
# ## Going deeper: BatchTopK needs to know how many
#
# BatchTopK looked like the cure. It was given the right number of active latents, `2.6`. Give it half and twice as many.

# %%
by_k = {2.6: coders["BatchTopK"]} | {
    k: train(sample_pair, encode=encode, loss=crosscoder_loss, k=k) for k in (1.3, 5.2)
}


def counted(k: float) -> tuple[int, int, int]:
    """Features found, features called exclusive, and how many of these are in the base model."""
    f = encode(by_k[k], x_test, k=k)
    by_norm = by_feature(by_k[k], f, norm_ratio(by_k[k]))
    alone = [i for i, r in by_norm.items() if r < EXCLUSIVE]
    return len(matched_latents(by_k[k], pair, f)), len(alone), sum(i < 10 for i in alone)


counts = {k: counted(k) for k in sorted(by_k)}
plots.table(
    [(k, f"{n} of 64", alone, false_alone) for k, (n, alone, false_alone) in counts.items()],
    columns=["k", "features found", "called exclusive", "of these false"],
)

# %% [markdown]
# With half as many the crosscoder finds nearly all features and calls none exclusive; with twice as many **55** of 64 are found (47 to 56 at other seeds), and here one of the two exclusive ones is called. In a real model nobody knows the right number.

# %% tags=["numbers"]
claim("called exclusive, L1", len(named["L1"]), text=6, within=0)
claim("of these false", false["L1"], text=4, within=0)
claim("called exclusive, BatchTopK", len(named["BatchTopK"]), text=2, within=0)
assert false["BatchTopK"] == 0 and more == ["L1"]
assert all(len(matched_latents(coders[kind], pair, active[kind])) >= 63 for kind in HOW)
assert max(abs(a - b) for a, b in zip(weak_ratios(ratios["L1"]), theory, strict=True)) < 0.08
assert max(abs(a - b) for a, b in zip(weak_ratios(ratios["BatchTopK"]), WEAK, strict=True)) < 0.03
assert abs(weak_ratios(asked)[1] - 0.1) < 0.04
assert sorted(still) == [10, 11]
assert len(exactly) == 4 and exactly.max() < 0.02 and n_exclusive == {how_many[1]}
assert 0.3 < share.nan_to_num(1).min() < 0.7
assert found[0.2] < 2 and n_real == 0 and n_planted >= 7 and found[0.4] >= 3 and found[0.8] == 4
claim("a latent's part", typical, text=0.13, within=0.015)
strongest = best.indices[STRENGTHS == 0.8]
claim("highest", norm_ratio(with_planted)[strongest].max(), text=0.38, within=0.05)
assert share_too[strongest].max() < 0.15
assert explained < 0.1
claim("by 12 components", 100 * by_12, text=45, within=5)
claim("features at k 5.2", counts[5.2][0], text=55, within=5)
assert (nearest > 0.7).all() and n_planted > 8
assert counts[1.3][0] < 64 and counts[1.3][1] < 2

# %% [markdown]
# ## The results

# %% tags=["results"]
plots.table(
    [
        (
            "toy: called exclusive by L1, and false",
            f"{len(named['L1'])}, {false['L1']}",
            "2 in truth",
            "many exclusive latents are false, shown by latent scaling (Minder et al.)",
        ),
        (
            "toy: called exclusive by BatchTopK, and false",
            f"{len(named['BatchTopK'])}, {false['BatchTopK']}",
            "2 in truth",
            "far fewer false ones (Minder et al.)",
        ),
        (
            "SmolLM2, adapter of rank 4: exclusive latents of 256",
            n_real,
            f"with 12 planted features {n_planted}; found by strength "
            + ", ".join(f"{k}: {n} of 4" for k, n in found.items()),
            "chat-only latents in Gemma-2-2B against its chat model (Minder et al.)",
        ),
    ],
    columns=["", "ours", "control", "published, with its model"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. A latent has one activation for both models. What can a crosscoder not say about two models, even with the right decoder?
# 2. When is a feature of strength `0.06` in the base model "not there"? Who decides, and by which number?
# 3. You planted random directions. Which features would a fine-tuning rather add, and would they be easier or harder to find?
# 4. The adapter changes what the model does, and the search finds no added feature. What kinds of change would it not see?
#
# ## Common mistakes
#
# - Reading a ratio of decoder norms as presence, without asking the activations.
# - Reporting that a search found nothing, without showing what it would have found.
# - Penalising activations without the decoder norms: the norms then grow, and the code is not sparse.
# - Taking a BatchTopK threshold from one batch over to single tokens: with other tokens beside it, a latent is kept or not.
#
# ## Where this breaks
#
# The toy has independent features of equal frequency and equal noise, and a crosscoder with room for more than there are. The real pair is one adapter of low rank at one layer; the text is about 4,500 tokens, and the crosscoder small and briefly trained, so its power is what the planted features show and no more. They are random directions, in the tuned model alone, at random tokens: features that depend on the text may be found more easily. Latent scaling here asks for error and own part together; the paper keeps the two apart, which tells shrinkage from latents that are split in two.
#
# ## Further reading
#
# - Lindsey et al. (2024), *Sparse Crosscoders for Cross-Layer Features and Model Diffing*, transformer-circuits.pub/2024/crosscoders
# - Minder et al. (2025), *Overcoming Sparsity Artifacts in Crosscoders to Interpret Chat-Tuning*, arXiv 2504.02922; code: `science-of-finetuning/crosscoder_learning`
# - Bussmann et al. (2024), *BatchTopK Sparse Autoencoders*, arXiv 2412.06410
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.4 · Transcoders and attribution graphs](44_attribution_graphs.ipynb) | **Next:** [5.1 · How a reasoning model checks itself](51_self_verification.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/44_attribution_graphs.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("45")
