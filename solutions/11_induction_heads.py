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
# # 1.1 · Induction heads
#
# [![Open lesson 1.1 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/11_induction_heads.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [00 · Meet the model](00_meet_the_model.ipynb) | **Next:** [1.2 · How induction is made](12_how_induction_is_made.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/00_meet_the_model.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. find the heads that carry a behaviour, and show that they *cause* it;
# 2. read from the weights which earlier head feeds them, and test that reading;
# 3. watch such a circuit (a few parts that carry a behaviour together) form in a model while it is trained.
#
# **Time** two hours. **Needs** lesson 00: tokens, BOS, hooks, the cache.
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
import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.circuits import figures
from utils import plots
from utils.checks import lesson_11
from utils.checks.predict import outcome, predict
from utils.lesson import claim
from utils.models import load

model = load()
cfg = model.cfg

# %% [markdown]
# ## 1. A behaviour: the second time is easy
#
# `Mr Dursley ... Mr Durs` — and you know what comes next, whoever Mr Dursley is. Seen once, a sequence
# is easy to continue. Models can do it too, with *random tokens*, which nobody can have learned by heart.
# That is why the test uses them: a sequence of random tokens, and then the same sequence again.
#
# *Predict first:* the loss is the mean of `-log p(next token)`, in nats. On random tokens from a
# vocabulary of 49,152, a model that guesses evenly scores ln 49152, which is about `10.8`. What will this
# model score on the first half? On the second?

# %%
predict(
    "11.first_half",
    "Beside even guessing's 10.8 nats, the loss on the first half will be",
    choices=["lower", "about the same", "higher"],
)
predict("11.repeat", "And the loss on the second half, in nats? (Within a factor of 1.5 is right.)")

# %% [markdown]
# ### Exercise 1 · the test sequence (10 minutes, easy)


# %% tags=["exercise:utils.circuits.induction.repeated_tokens"]
def repeated_tokens(
    seq_len: int, *, batch: int, d_vocab: int, bos: int, n_special: int, generator: torch.Generator
) -> Int[Tensor, "batch pos"]:
    """BOS, then `seq_len` random tokens, then the same tokens again: `1 + 2 * seq_len` positions.

    Source: the test of Olsson et al., 2022 (arXiv 2209.11895).

    Args:
        seq_len: length of one half.
        batch: how many rows; each row has its own random tokens.
        d_vocab, n_special: draw ids from `n_special` up to, not including, `d_vocab`. The lowest
            ids are special tokens.
        bos: the id to put in front.
        generator: hand it to the random function, so that a seed gives the same tokens again.
    """
    ### BEGIN SOLUTION
    half = torch.randint(n_special, d_vocab, (batch, seq_len), generator=generator)
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)
    ### END SOLUTION


# %% tags=["check"]
repeated_tokens = lesson_11.check_repeated_tokens(repeated_tokens)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.randint(low, high, size, generator=...)` draws one half. Use that one tensor twice.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.cat([a, b, c], dim=1)` joins along positions. The first of the three is a column of BOS:
# `torch.full((batch, 1), bos)`.
#
# </details>

# %% [markdown]
# ### Exercise 2 · the loss of each half (15 minutes, medium)
#
# Mind two things. `logits[:, i]` is a prediction of `tokens[:, i + 1]`. And the *first* token of the second
# half cannot be predicted by anyone, because nothing says that the repeat starts here: leave it out.


# %% tags=["exercise:utils.circuits.induction.loss_by_half"]
def loss_by_half(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"]
) -> tuple[float, float]:
    """Mean next-token loss in nats on the first half (BOS predicts its first token), and on the
    second half without its first token.

    Args:
        logits: at all 1+2*seq_len positions of `tokens`.
        tokens: BOS and two equal halves, as `repeated_tokens` makes them.
    """
    ### BEGIN SOLUTION
    seq_len = (tokens.shape[1] - 1) // 2
    log_probs = logits[:, :-1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None].to(logits.device))[..., 0]
    return loss[:, :seq_len].mean().item(), loss[:, seq_len + 1 :].mean().item()
    ### END SOLUTION


# %% tags=["check"]
loss_by_half = lesson_11.check_loss_by_half(loss_by_half)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Get the loss at every position first, [batch, 2*seq_len], by dropping the last logits and the first
# token. Only then cut it in two.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `log_probs.gather(-1, tokens[:, 1:, None])[..., 0]` picks each next token's log-probability. Of the
# losses, the first `seq_len` predict the first half. The next one is the unpredictable one.
#
# </details>

# %%
SEQ_LEN = 50
N_SPECIAL = 17  # ids 0 to 16 are this tokenizer's special tokens
draw = torch.Generator().manual_seed(0)
kind = {"d_vocab": cfg.d_vocab, "bos": model.tokenizer.bos_token_id, "n_special": N_SPECIAL}
tokens = repeated_tokens(SEQ_LEN, batch=8, **kind, generator=draw).to(cfg.device)
# The control: the second half is random too, but not the same.
other = repeated_tokens(SEQ_LEN, batch=8, **kind, generator=draw).to(cfg.device)
unrepeated = torch.cat([tokens[:, : 1 + SEQ_LEN], other[:, 1 : 1 + SEQ_LEN]], dim=1)


def run(tokens: torch.Tensor):
    """Logits, and a cache of the attention patterns, which section 2 needs."""
    with torch.no_grad():
        return model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_pattern"))


def loss_at_each_position(logits: torch.Tensor, tokens: torch.Tensor) -> list[float]:
    """Mean loss over the batch of predicting each token from position 1 on."""
    log_probs = logits[:, :-1].log_softmax(-1)
    return (-log_probs.gather(-1, tokens[:, 1:, None].to(logits.device))[..., 0].mean(0)).tolist()


logits, cache = run(tokens)
unrepeated_logits, unrepeated_cache = run(unrepeated)
first, second = loss_by_half(logits, tokens)
_, second_unrepeated = loss_by_half(unrepeated_logits, unrepeated)
print(f"first half {first:.2f}, repeat {second:.2f}, control {second_unrepeated:.2f} nats")
outcome("11.first_half", "higher" if first > 12 else "lower" if first < 9.6 else "about the same")
outcome("11.repeat", second, factor=1.5)
plots.lines(
    {
        "repeated": loss_at_each_position(logits, tokens),
        "not repeated (control)": loss_at_each_position(unrepeated_logits, unrepeated),
    },
    at=range(1, 1 + 2 * SEQ_LEN),
    title="The loss collapses as soon as the sequence repeats",
    x="position of the predicted token (the repeat starts at 51)",
    y="loss (nats)",
)

# %% [markdown]
# On the first half the loss is about **14** nats, on the repeat about **3.0**. When the second half is
# *other* random tokens, nothing falls.
#
# The first half is worse than even guessing (`10.8`)! The model expects text, and random tokens are
# not text: it is confidently wrong. Keep that in mind when you see "loss" as a measure: it is measured
# against what the model expects.

# %% tags=["numbers"]
claim("loss on the first half", first, text=14, within=0.4)
claim("loss on the repeat", second, text=3.0, within=0.3)
assert second_unrepeated > first - 1, "without a repeat the loss must stay"

# %% [markdown]
# ## 2. Who looks where?
#
# To continue a repeat, the model must find the earlier copy of the current token, and see what came
# *after* it. A head that does this is called an **induction head**, and its attention pattern shows it: from each
# token in the second half, a look back to the position just after the first copy.
#
# With BOS at position 0 and halves of 50: the token at position 60 first stood at position 10. What came
# after it stands at position 11. So the look goes `60 - 11 = 49 = seq_len - 1` positions back, whatever
# the position. In the pattern, a matrix [query, key], that is a **stripe** parallel to the diagonal.
#
# Here are three heads on a shorter sequence. Click a head; point at a token to see where it looks.
# *Predict first:* one of them is an induction head, one looks at the previous token, and one rests on BOS.
# Which is which?

# %%
short = repeated_tokens(8, batch=1, **kind, generator=torch.Generator().manual_seed(3))
short = short.to(cfg.device)
_, short_cache = run(short)
shown = [(16, 0), (18, 6), (18, 8)]
short_patterns = torch.stack([short_cache["pattern", layer][0, head] for layer, head in shown])
short_tokens = model.to_str_tokens(short[0])
figures.attention_heads(
    short_patterns, short_tokens, names=[f"L{layer}H{head}" for layer, head in shown]
)

# %% [markdown]
# L16H0 looks at the previous token. L18H8 rests on BOS all the time. L18H6 rests there too, *until* the repeat
# starts, and then does induction. Here is L18H6 as a heatmap in colours that everyone can tell apart.

# %%
plots.heatmap(
    short_patterns[1],
    title="L18H6 looks at what came after the first copy",
    x="key (attended position)",
    y="query",
    rows=short_tokens,
    columns=short_tokens,
    label="attention",
    ends=(0, 1),
).update_layout(height=520)

# %% [markdown]
# (`<|im_start|>` is this model's BOS. Before the repeat there is nothing to find.)
#
# Two numbers for each head will tell where these heads are, in all 30 layers at once.
#
# ### Exercise 3 · previous-token score (10 minutes, easy)


# %% tags=["exercise:utils.circuits.induction.previous_token_scores"]
def previous_token_scores(pattern: Float[Tensor, "batch head q k"]) -> Float[Tensor, " head"]:
    """Mean attention from each position to the one before it. The first position has none.

    Args:
        pattern: attention of one layer's heads, from each query `q` to each key `k`.
    """
    ### BEGIN SOLUTION
    return pattern.diagonal(-1, dim1=-2, dim2=-1).mean(-1).mean(0)
    ### END SOLUTION


# %% tags=["check"]
previous_token_scores = lesson_11.check_previous_token_scores(previous_token_scores)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `pattern.diagonal(offset, dim1=..., dim2=...)` takes one diagonal out of the last two axes. Offset 0 is
# a position's attention to itself; is the previous one at 1 or at -1?
#
# </details>
# <details><summary>Hint 2</summary>
#
# The diagonal becomes the *last* axis: [batch, head, along the diagonal]. Average over it, then over the
# batch.
#
# </details>

# %% [markdown]
# ### Exercise 4 · induction score (10 minutes, medium)
#
# The mean attention on the stripe. You may take the whole diagonal, as the field does, or only the queries in
# the second half: they differ by little.


# %% tags=["exercise:utils.circuits.induction.induction_scores"]
def induction_scores(
    pattern: Float[Tensor, "batch head q k"], seq_len: int
) -> Float[Tensor, " head"]:
    """Mean attention from a token to the one after its first copy.

    Source: Olsson et al., 2022 (arXiv 2209.11895).

    Args:
        pattern: attention of one layer's heads on BOS and two equal halves.
        seq_len: length of a half.
    """
    ### BEGIN SOLUTION
    return pattern.diagonal(1 - seq_len, dim1=-2, dim2=-1).mean(-1).mean(0)
    ### END SOLUTION


# %% tags=["check"]
induction_scores = lesson_11.check_induction_scores(induction_scores)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Draw it for halves of 3: `BOS a b c a b c`. From the second `a` (position 4), which position should be
# looked at, and how far back is that?
#
# </details>
# <details><summary>Hint 2</summary>
#
# From the second `a` at 4 to the first `b` at 2: two back, which is seq_len - 1. Back is negative.
#
# </details>

# %%
from utils.heads import head_name, top_heads


def scores_of_all_heads(cache) -> dict[str, torch.Tensor]:
    """Induction and previous-token scores, each [layer, head]."""
    patterns = [cache["pattern", layer] for layer in range(cfg.n_layers)]
    return {
        "induction": torch.stack([induction_scores(p, SEQ_LEN) for p in patterns]).cpu(),
        "previous": torch.stack([previous_token_scores(p) for p in patterns]).cpu(),
    }


scores = scores_of_all_heads(cache)
control_scores = scores_of_all_heads(unrepeated_cache)
plots.heatmap(
    scores["induction"],
    title="Five heads in layers 17 and 18 stand out; a few later ones do some induction",
    x="head",
    y="layer",
    label="induction score",
    text=figures.named_heads(scores["induction"], 7),
)

# %%
plots.heatmap(
    scores["previous"],
    title="Previous-token heads stand in many layers",
    x="head",
    y="layer",
    label="previous-token score",
    text=figures.named_heads(scores["previous"], 5),
)

# %% tags=["nbval-check-output"]
TOP = top_heads(scores["induction"], 5)
PREVIOUS = top_heads(scores["previous"], 3)
best = TOP[0]
print("induction:     ", sorted(head_name(head) for head in TOP))
print("previous token:", sorted(head_name(head) for head in PREVIOUS))

# %% [markdown]
# The strongest induction head scores **0.86**; the median of all 270 heads is **0.02**. On the sequence
# that does *not* repeat, the same head also scores **0.02** on the same stripe. So it is not fond of looking
# 49 back: it looks for a *match*.

# %% tags=["numbers"]
claim(f"induction score of {head_name(best)}", scores["induction"][best], text=0.86, within=0.04)
claim("median induction score", scores["induction"].median(), text=0.02, within=0.015)
claim(
    f"{head_name(best)} without a repeat",
    control_scores["induction"][best],
    text=0.02,
    within=0.015,
)

# %% [markdown]
# ## 3. Do they cause it? Ablation
#
# So far we have a *correlation*: these heads look at the right place. Would the model still continue the
# repeat without them? Take their output away and see.
#
# What to put in its place? Zero is something that later layers never see. The head's **mean** output is more like
# "nothing special here", so that is what this course does: *mean ablation*.
#
# ### Exercise 5 · mean ablation (15 minutes, medium)
#
# `z` is what each head read: the values of all positions, weighted by its attention, before they are written to the
# residual stream. The mean is over all positions, BOS too: `z` at BOS is no longer than elsewhere.


# %% tags=["exercise:utils.heads.mean_ablate"]
def mean_ablate(
    z: Float[Tensor, "batch pos head d_head"], heads: list[int]
) -> Float[Tensor, "batch pos head d_head"]:
    """A copy of `z` in which each of `heads` gives its mean over batch and positions.

    Args:
        z: the outputs of one layer's heads.
        heads: which heads of this layer to ablate.
    """
    ### BEGIN SOLUTION
    z = z.clone()
    z[:, :, heads] = z[:, :, heads].mean((0, 1), keepdim=True)
    return z
    ### END SOLUTION


# %% tags=["check"]
mean_ablate = lesson_11.check_mean_ablate(mean_ablate)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Copy first: `z.clone()`. Otherwise you change a tensor that somebody else may be holding.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `z[:, :, heads]` are the chosen heads, and `.mean((0, 1), keepdim=True)` keeps their axes so that the
# mean fits back in.
#
# </details>

# %% [markdown]
# `utils.heads.ablated` puts your function on the right hooks, and takes the hooks away at the end. The
# heads were chosen on one set of random tokens; we test them on **fresh** ones.
#
# The controls are other heads: 5 at random from everywhere, twenty times over; and, harder, 5 at random from
# *layers 16 to 24*, around the induction heads. *Predict first:* how much will each cost?

# %%
from utils.heads import ablated, random_heads

fresh = repeated_tokens(SEQ_LEN, batch=2, **kind, generator=torch.Generator().manual_seed(1))
fresh = fresh.to(cfg.device)


def loss_without(heads) -> tuple[float, float]:
    """Loss of both halves on fresh tokens, with `heads` ablated."""
    with torch.no_grad(), ablated(model, heads):
        return tuple(map(float, loss_by_half(model(fresh), fresh)))


chooser = torch.Generator().manual_seed(2)
ways = {"n_heads": cfg.n_heads, "but": TOP, "generator": chooser}
anywhere = [random_heads(5, layers=range(cfg.n_layers), **ways) for _ in range(20)]
nearby = [random_heads(5, layers=range(16, 25), **ways) for _ in range(20)]
intact = loss_without([])
cost = {"top 5": torch.tensor([loss_without(TOP)[1] - intact[1]])}
cost["5 random"] = torch.tensor([loss_without(heads)[1] - intact[1] for heads in anywhere])
cost["5 random, layers 16-24"] = torch.tensor(
    [loss_without(heads)[1] - intact[1] for heads in nearby]
)
first_half_cost = loss_without(TOP)[0] - intact[0]

plots.bars(
    {name: values.mean().item() for name, values in cost.items()},
    intervals={
        name: tuple(values.quantile(torch.tensor([0.05, 0.95])).tolist())
        for name, values in cost.items()
        if len(values) > 1
    },
    title="Without five induction heads the repeat is hard; most other sets matter little",
    y="added loss on the repeat (nats)",
)

# %% [markdown]
# Ablating the top five costs **7.3** nats on the repeat. Five random heads cost **0.3** on average, and the most
# expensive of twenty draws costs **1.3** (bars: means, with the range from the 5th to the 95th percentile of
# twenty draws). On the *first* half, where there is nothing to copy, losing the top five costs nothing: the loss even
# *falls*, by **0.4** nats.
#
# But look at the third bar: its range is huge. Most draws from layers 16 to 24 are harmless, and a few are
# almost as bad as losing the top five. A control that surprises is worth a look:

# %%
pairs = zip(nearby, cost["5 random, layers 16-24"].tolist(), strict=True)
for heads, added in sorted(pairs, key=lambda pair: -pair[1])[:5]:
    print(f"{added:+.2f} nats without {' '.join(head_name(head) for head in heads)}")

# %% [markdown]
# *Before you read on:* which heads do the two expensive draws share? Where did you meet one of them above?
#
# They share two, so ablate each of those alone:

# %%
alone = {head_name(head): loss_without([head])[1] - intact[1] for head in [(16, 0), (19, 1)]}
print({name: round(added, 2) for name, added in alone.items()})

# %% [markdown]
# It is L16H0, the strongest previous-token head, with **6.3** nats all by itself. It does no induction, and yet the
# repeat falls apart without it. Section 5 finds out why. (This is what drawing *many* controls is for. It stood in two
# of twenty draws; with one draw we would have missed it, or been misled by it.)

# %% tags=["numbers"]
claim("cost of the top 5, nats", cost["top 5"].item(), text=7.3, within=0.7)
claim("mean cost of 5 random heads, nats", cost["5 random"].mean(), text=0.3, within=0.2)
claim("largest cost of 5 random heads, nats", cost["5 random"].max(), text=1.3, within=0.5)
shared = [
    added
    for heads, added in zip(nearby, cost["5 random, layers 16-24"].tolist(), strict=True)
    if (16, 0) in heads
]
rest = [
    added
    for heads, added in zip(nearby, cost["5 random, layers 16-24"].tolist(), strict=True)
    if (16, 0) not in heads
]
assert min(shared) > 4 > 2 > max(rest)
claim("cost of L16H0 alone, nats", alone["L16H0"], text=6.3, within=0.8)
assert alone["L19H1"] < 0.6
assert intact[1] + cost["top 5"].item() < intact[0], "some of the gain is left"
claim("change of the first half's loss, nats", first_half_cost, text=-0.4, within=0.3)

# %% [markdown]
# ## 4. What the weights say: matching and copying
#
# The textbook story (Olsson and colleagues, 2022) has two halves.
#
# - **Matching (QK).** The induction head's key at a position carries *the token before it*. Its query
#   carries the current token. Where they match, it looks.
# - **Copying (OV).** What it reads there, it writes so as to raise that very token's logit.
#
# A head's *OV circuit* is `W_OV = W_V @ W_O`: what it does with a token that it attends to. Its *QK circuit* is
# `W_QK = W_Q @ W_K.T`: which query likes which key.
#
# Both can be read from the weights, without running any text. Take some tokens, push their embeddings
# through the head's matrices, and get a table: row = the token attended to, column = the token whose logit
# is raised. A copying head has a large diagonal. To score it without caring for units: for each row,
# what share of the other columns does the diagonal beat? **0.5 is chance, 1.0 is perfect.**
#
# ### Exercise 6 · copying score (15 minutes, medium)


# %% tags=["exercise:utils.circuits.composition.copying_score"]
def copying_score(
    W_E: Float[Tensor, "token d_model"],
    W_V: Float[Tensor, "d_model d_head"],
    W_O: Float[Tensor, "d_head d_model"],
    W_U: Float[Tensor, "d_model token"],
) -> float:
    """Mean share of the other tokens that each token's own logit beats, from the OV circuit.

    It says how far a head raises the logit of the very token it attends to.

    Args:
        W_E, W_U: embeddings and unembeddings of the same tokens.
        W_V, W_O: the head's matrices.
    """
    ### BEGIN SOLUTION
    scores = W_E @ W_V @ W_O @ W_U
    beaten = (scores < scores.diagonal()[:, None]).sum(-1)
    return (beaten / (scores.shape[-1] - 1)).mean().item()
    ### END SOLUTION


# %% tags=["check"]
copying_score = lesson_11.check_copying_score(copying_score)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The table is one product of four matrices, [n, n]. Its row i is: what happens to all logits when token i
# is attended to.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `scores < scores.diagonal()[:, None]` compares each entry with its *row's* diagonal. Count, divide by
# n - 1 (a token does not beat itself), take the mean.
#
# </details>

# %% [markdown]
# In a real model each layer first normalises its input. Here that is an *RMSNorm*: divide by the
# root mean square, then multiply each of the 576 coordinates by a learned weight `ln1.weight`. The division
# cannot change which entry of a row is largest, but the weights can; so fold them into the matrices.

# %%
group = cfg.n_heads // cfg.n_key_value_heads  # three query heads share a key-value head


@torch.no_grad()
def weights(head) -> dict[str, torch.Tensor]:
    """A head's matrices, with the weights of its layer's norm folded in."""
    layer, h = head
    norm = model.blocks[layer].ln1.weight[:, None]
    return {
        "Q": norm * model.W_Q[layer, h],
        "K": norm * model.W_K[layer, h // group],
        "V": norm * model.W_V[layer, h // group],
        "O": model.W_O[layer, h],
    }


sample = torch.randint(N_SPECIAL, cfg.d_vocab, (300,), generator=torch.Generator().manual_seed(4))
W_E = model.W_E[sample].detach()
W_E = W_E / W_E.pow(2).mean(-1, keepdim=True).sqrt()
W_U = (model.ln_final.weight[:, None] * model.W_U)[:, sample].detach()

copying = torch.zeros(cfg.n_layers, cfg.n_heads)
for layer in range(cfg.n_layers):
    for h in range(cfg.n_heads):
        w = weights((layer, h))
        copying[layer, h] = copying_score(W_E, w["V"], w["O"], W_U)
top_copying = torch.tensor([copying[head] for head in TOP])
plots.heatmap(
    copying,
    title="The best copiers are not the induction heads",
    x="head",
    y="layer",
    label="copying score",
    text=figures.named_heads(copying, 6),
)

# %% [markdown]
# **This half of the story does not replicate well here.** The five induction heads have a mean copying score of
# **0.70**, and they are far apart, from just above chance to good. But the median of *all* heads is **0.63**, and many
# heads that do no induction at all reach almost 1.
#
# Why? Partly the baseline: this model's embedding and unembedding are *the same matrix* (tied), so any head that
# roughly keeps its input raises the token's own logit. And partly the question: layer 17 does not write for
# the unembedding, it writes for the twelve layers after it. The five heads *cause* the copying, as you
# saw; that they do it *on their own* is not what these weights say.

# %% tags=["numbers"]
claim("mean copying score of the top 5", top_copying.mean(), text=0.70, within=0.04)
claim("median copying score of all heads", copying.median(), text=0.63, within=0.04)
assert top_copying.min() < 0.6 < 0.7 < top_copying.max()
assert (copying[scores["induction"] < 0.05] > 0.95).sum() >= 10

# %% [markdown]
# Now matching. Let the previous-token head L16H0 move the token it attends to (its OV circuit), let the
# induction head make a *key* of that, and make a *query* of the current token. Row = current token,
# column = the token that stood before the key. Matching means a large diagonal.
#
# The score is the same comparison as before, on this table: what share of its row does the diagonal beat?
# (`own_token_rank` does that for any table.)
#
# (The model rotates queries and keys by their positions, *rotary embeddings*. We leave the rotation out, as
# if query and key stood at the same place.)


# %%
def own_token_rank(scores: torch.Tensor) -> float:
    """Mean share of the other columns that the diagonal beats: 0.5 is chance, 1.0 is perfect."""
    beaten = (scores < scores.diagonal()[:, None]).sum(-1)
    return (beaten / (scores.shape[-1] - 1)).mean().item()


@torch.no_grad()
def matching(previous, induction) -> float:
    """Own-token rank of: query of a token, against the key of what `previous` moved."""
    p, i = weights(previous), weights(induction)
    moved = W_E @ p["V"] @ p["O"]
    # Rows of `moved` differ in length, and the norm before the induction head takes that away.
    moved = moved / moved.pow(2).mean(-1, keepdim=True).sqrt()
    return own_token_rank((W_E @ i["Q"]) @ (moved @ i["K"]).T)


rows = [
    [head_name(head), *(f"{matching(previous, head):.2f}" for previous in PREVIOUS)] for head in TOP
]
# And the control on the other side: L16H0 with *every* head that comes after it.
readers = [(layer, h) for layer in range(17, cfg.n_layers) for h in range(cfg.n_heads)]
reading = {head: matching((16, 0), head) for head in readers}
reading_median = torch.tensor(list(reading.values())).median().item()
rows.append([f"median of all {len(readers)} later heads", f"{reading_median:.2f}", "", ""])
plots.table(rows, columns=["reader", *(f"through {head_name(p)}" for p in PREVIOUS)])

# %% tags=["nbval-check-output"]
best_readers = sorted(reading, key=reading.get, reverse=True)[:5]
print("best readers of L16H0:", sorted(head_name(head) for head in best_readers))

# %% [markdown]
# Through L16H0 the match is there for all five, **0.92** on average: a token's query finds keys that were made
# from the *same* token. Through L11H1 and L2H1 it is near chance, **0.55**. And yet those two score as
# previous-token heads nearly as high as L16H0. Looking at the previous token is one thing; being *read* by the
# induction heads is another.
#
# And the best five of all 117 readers of L16H0 are exactly our five induction heads; the median reader is at **0.56**.
# They were found by their attention on random tokens; here they are found again, from weights alone.

# %% tags=["numbers"]
through = {head_name(p): torch.tensor([matching(p, head) for head in TOP]).mean() for p in PREVIOUS}
claim("matching through L16H0", through["L16H0"], text=0.92, within=0.03)
claim("matching of the median reader", reading_median, text=0.56, within=0.03)
assert set(best_readers) == set(TOP) and len(readers) == 117
claim(
    "matching through L11H1 and L2H1",
    (through["L11H1"] + through["L2H1"]) / 2,
    text=0.55,
    within=0.04,
)

# %% [markdown]
# ## 5. Who feeds whom: K-composition
#
# That suggests a question to ask of *every* earlier head at once: how much of what it writes can the
# induction head's keys read? With matrices that act on row vectors, an earlier head writes
# `x @ W_OV`, and the later head compares a query with it as `x_query @ W_QK @ (x @ W_OV).T`. So the product that counts is
# `W_QK @ W_OV.T`, and its size beside the sizes of its factors is the **K-composition score**:
#
# `|W_QK @ W_OV.T| / (|W_QK| |W_OV|)`, with Frobenius norms (the root of the sum of squares).
#
# ### Exercise 7 · K-composition (15 minutes, medium)


# %% tags=["exercise:utils.circuits.composition.k_composition"]
def k_composition(
    W_OV: Float[Tensor, "*head d_model d_model"], W_QK: Float[Tensor, "d_model d_model"]
) -> Float[Tensor, "*head"]:
    """How much a later head's keys read what earlier heads wrote, from the weights alone.

    Source: Elhage et al., 2021 ("A Mathematical Framework for Transformer Circuits").
    TransformerLens has all pairs at once, as `model.all_composition_scores("K")`: minutes for a
    model of this size, so the lesson scores the pairs it asks about.

    Args:
        W_OV: of one earlier head, or of a stack of them.
        W_QK: of the later head, [d_model of the query, d_model of the key].
    """
    ### BEGIN SOLUTION
    norms = torch.linalg.matrix_norm(W_OV) * torch.linalg.matrix_norm(W_QK)
    return torch.linalg.matrix_norm(W_QK @ W_OV.mT) / norms
    ### END SOLUTION


# %% tags=["check"]
k_composition = lesson_11.check_k_composition(k_composition)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `torch.linalg.matrix_norm` is the Frobenius norm over the *last two* axes, so a stack gives one number
# for each head.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `.mT` transposes the last two axes, of one matrix or of a stack.
#
# </details>

# %%
with torch.no_grad():
    W_OVs = torch.stack(
        [
            torch.stack(
                [w["V"] @ w["O"] for w in (weights((layer, h)) for h in range(cfg.n_heads))]
            )
            for layer in range(best[0])
        ]
    )  # [layer, head, d_model, d_model]


@torch.no_grad()
def composition_with_all(head) -> torch.Tensor:
    """K-composition of every earlier head with `head`, [layer, head]."""
    w = weights(head)
    return torch.stack([k_composition(W_OV, w["Q"] @ w["K"].T) for W_OV in W_OVs[: head[0]]])


composition = {head: composition_with_all(head).cpu() for head in sorted(TOP)}
plots.heatmap(
    composition[best],
    title=f"Of 162 earlier heads, {head_name(best)} reads two",
    x="head",
    y="layer",
    label="K-composition",
    text=figures.named_heads(composition[best], 2),
)

# %%
composition[18, 8] = composition_with_all((18, 8)).cpu()  # the head that rests on BOS, as a control
rows = []
for head, found in composition.items():
    named = [f"{head_name(other)} {found[other]:.2f}" for other in top_heads(found, 3)]
    rows.append([head_name(head), *named, f"{found.median():.2f}"])
plots.table(rows, columns=["reader", "reads most", "second", "third", "median of earlier heads"])

# %% [markdown]
# L16H0 leads for the three induction heads of layer 17. The two of layer 18 read two heads: L16H0 with **0.16**, and
# L17H8, whose own previous-token score is a modest **0.33**, even a little more: **0.18**. Everything else is far
# behind: **0.06** at most, where the median is **0.05**. The other two previous-token heads are lost in that
# crowd.
#
# Now the control. L18H8 rests on BOS, and does no induction: its score is **0.02**. Yet it reads L16H0 as strongly as any of
# the five. It has to: with *grouped-query attention* L18H6, L18H7 and L18H8 share one key matrix (and L17H3, L17H4 and
# L17H5 another). So these are not five independent readings, but two. And composition on the key side is not enough for
# induction: the query has to ask for it.
#
# ### The test of the reading
#
# Weights suggest; ablation decides. *Predict first:* take away L16H0, L11H1, L2H1 or L17H8. What happens to the five
# induction heads?


# %%
def without(heads) -> tuple[float, float]:
    """Mean induction score of the five heads, and loss on the repeat, with `heads` ablated."""
    with ablated(model, heads):
        logits, cache = run(fresh)
    score = [induction_scores(cache["pattern", layer], SEQ_LEN)[h].item() for layer, h in TOP]
    return sum(score) / len(score), loss_by_half(logits, fresh)[1]


tests = {"nothing": without([])}
tests |= {head_name(head): without([head]) for head in [*PREVIOUS, (17, 8)]}
plots.bars(
    {
        "intact" if name == "nothing" else f"without {name}": score
        for name, (score, _) in tests.items()
    },
    title="Of four candidates, the induction heads depend on one: L16H0",
    y="mean induction score",
)

# %% [markdown]
# Without L16H0, *one* head of 270, the five induction heads lose the trail: their mean score falls from
# **0.68** to **0.08**. Without L11H1 or L2H1 nothing happens, although
# they look at the previous token nearly as firmly: a high attention score alone is not enough. Without L17H8 little is
# lost, although layer 18 reads it most: a high composition score alone is not enough either. The weights told us
# where to look, and cut 162 candidates down to two. The ablation told us which of them matters.
#
# What this does *not* show is that L11H1 and L2H1 are idle. They may serve something else.

# %% tags=["numbers"]
claim("K-composition of L16H0 with L18H6", composition[18, 6][16, 0], text=0.16, within=0.02)
claim("K-composition of L17H8 with L18H6", composition[18, 6][17, 8], text=0.18, within=0.02)
claim("median K-composition with L18H6", composition[18, 6].median(), text=0.05, within=0.01)
thirds = [found.flatten().sort(descending=True).values for head, found in composition.items()]
third = max(v[1] if head[0] == 17 else v[2] for head, v in zip(composition, thirds, strict=True))
claim("largest K-composition of any other head", third, text=0.06, within=0.01)
assert composition[18, 6].numel() == 162
assert all(found[16, 0] > 0.14 for found in composition.values())
claim("induction score of L18H8", scores["induction"][18, 8], text=0.02, within=0.015)
claim("previous-token score of L17H8", scores["previous"][17, 8], text=0.33, within=0.05)
claim("mean induction score, intact", tests["nothing"][0], text=0.68, within=0.04)
claim("mean induction score without L16H0", tests["L16H0"][0], text=0.08, within=0.05)
for name in ["L11H1", "L2H1"]:
    assert abs(tests[name][0] - tests["nothing"][0]) < 0.03
    assert abs(tests[name][1] - tests["nothing"][1]) < 0.3
assert 0.02 < tests["nothing"][0] - tests["L17H8"][0] < 0.2

# %% [markdown]
# ## 6. And in real text?
#
# Random tokens are a clean test and a strange diet. Do these heads do anything for *text*? Three short
# passages, each with names and phrases that come back. A token is a **repeat** here if its predecessor
# stood earlier in the passage, and was followed by this same token then.

# %%
passages = [
    "Marguerite Oyelaran kept a small bakery near the harbour of Tarbert. Every morning before sunrise, "
    "Marguerite Oyelaran walked down to the harbour of Tarbert to buy fish for her breakfast. One day a "
    'stranger asked her the way to the bakery. "I am looking for Marguerite Oyelaran," he said. "They say '
    'that she bakes the best rye bread on the west coast." She laughed, and told him that the best rye '
    "bread on the west coast was waiting in the oven.",
    "Minutes of the gardening club. Present: Dr Halvorsen, Ms Quist, Mr Abara. Dr Halvorsen reported that "
    "the greenhouse roof leaks. Ms Quist asked who would repair the greenhouse roof. Mr Abara offered to "
    "repair it, if Ms Quist would lend him her ladder. Dr Halvorsen thanked Mr Abara, and closed the "
    "meeting of the gardening club. The next meeting of the gardening club will be held in the "
    "greenhouse, if the greenhouse roof has been repaired by then.",
    "To make quince jelly, wash the quinces and cut the quinces into quarters. Cover with cold water, "
    "bring slowly to the boil, and simmer until the fruit is soft. Strain through a muslin cloth "
    "overnight. Measure the juice, and for every litre of juice add eight hundred grams of sugar. Bring "
    "slowly to the boil again, and simmer until the quince jelly sets. Pour the quince jelly into warm "
    "jars, cover with a muslin cloth, and leave overnight.",
]


def is_repeat(ids: list[int]) -> torch.Tensor:
    """For each predicted position 1, 2, ...: did this pair of tokens occur before? Boolean, [pos-1]."""
    pairs = list(zip(ids, ids[1:], strict=False))
    return torch.tensor([pair in pairs[:i] for i, pair in enumerate(pairs)])


@torch.no_grad()
def text_losses(heads) -> tuple[float, float]:
    """Mean loss on repeats and on all other tokens of the passages, with `heads` ablated."""
    repeats, others = [], []
    for passage in passages:
        ids = model.to_tokens(passage)
        with ablated(model, heads):
            log_probs = model(ids)[0, :-1].log_softmax(-1).cpu()
        loss = -log_probs.gather(-1, ids[0, 1:, None].cpu())[:, 0]
        repeated = is_repeat(ids[0].tolist())
        repeats.append(loss[repeated])
        others.append(loss[~repeated])
    return torch.cat(repeats).mean().item(), torch.cat(others).mean().item()


plain = text_losses([])
text_top = [after - before for after, before in zip(text_losses(TOP), plain, strict=True)]
text_without_feeder = [a - b for a, b in zip(text_losses([(16, 0)]), plain, strict=True)]
text_random = torch.tensor([text_losses(heads) for heads in anywhere[:6]]) - torch.tensor(plain)
plots.table(
    [
        ("loss, intact", f"{plain[0]:.2f}", f"{plain[1]:.2f}"),
        ("added without the top 5", f"{text_top[0]:+.2f}", f"{text_top[1]:+.2f}"),
        (
            "added without L16H0",
            f"{text_without_feeder[0]:+.2f}",
            f"{text_without_feeder[1]:+.2f}",
        ),
        (
            "added without 5 random heads: mean, and largest of 6 draws",
            f"{text_random[:, 0].mean():+.2f}, {text_random[:, 0].max():+.2f}",
            f"{text_random[:, 1].mean():+.2f}, {text_random[:, 1].max():+.2f}",
        ),
    ],
    columns=["nats", "on repeats", "on other tokens"],
)

# %% [markdown]
# The same five heads, chosen on random tokens, cost **1.3** nats on repeats in real text, and
# **0.05** elsewhere. Random heads cost about **0.02** on repeats. So the heads do their job in text too. But the job is
# smaller: without them, repeats in text are still far easier than other tokens, perhaps for other reasons such as grammar
# and topic. Losing L16H0 costs something as well, but less than the five heads: in text it is not their only source.

# %% tags=["numbers"]
claim("cost of the top 5 on repeats in text, nats", text_top[0], text=1.3, within=0.2)
claim("cost of the top 5 elsewhere in text, nats", text_top[1], text=0.05, within=0.05)
claim(
    "mean cost of random heads on repeats in text, nats",
    text_random[:, 0].mean(),
    text=0.02,
    within=0.05,
)
assert text_top[0] > 3 * text_random[:, 0].max()
assert text_random[:, 0].max() < text_without_feeder[0] < text_top[0]
assert plain[0] + text_top[0] < plain[1] - 1

# %% [markdown]
# ## 7. Watch it form
#
# Where does such a circuit come from? `data/induction/` holds two tiny models, trained for this lesson on
# sequences of 64 kinds of token in which a segment of random length comes twice, at random places. They
# have attention only, no MLPs. One has **two layers**, the other **one**. The weights were kept at 18 steps of the
# training. (The settings of the training were chosen so that the circuit appears within minutes; the seed
# was not chosen. `data/induction/README.md` has the recipe, two more seeds, and what went wrong on the way.)
#
# The one-layer model is the control. An induction head must read something that an *earlier layer* wrote, namely
# which token stood before. With one layer there is no earlier layer.
#
# *Predict first:* draw the loss on the repeat over the steps of training, for both models. A slope? A step?

# %%
import contextlib
import io

TOY_LEN = 23  # the toys read at most 48 tokens
toy_tokens = repeated_tokens(
    TOY_LEN, batch=64, d_vocab=65, bos=0, n_special=1, generator=torch.Generator().manual_seed(5)
)


def checkpoints(name: str) -> dict:
    """Step -> model, for the checkpoints of one toy."""
    found = {}
    for folder in sorted((root / "data" / "induction" / name).iterdir()):
        with contextlib.redirect_stdout(io.StringIO()):  # `load` says a line for each
            found[int(folder.name.removeprefix("step_"))] = load(
                f"induction/{name}/{folder.name}", device="cpu"
            )
    return found


@torch.no_grad()
def history(models: dict) -> dict[str, list[float]]:
    """Loss on the repeat, best previous-token and best induction score, at each checkpoint."""
    out = {"repeat": [], "previous": [], "induction": []}
    for toy in models.values():
        logits, cache = toy.run_with_cache(toy_tokens)
        patterns = [cache["pattern", layer] for layer in range(toy.cfg.n_layers)]
        out["repeat"].append(loss_by_half(logits, toy_tokens)[1])
        out["previous"].append(previous_token_scores(patterns[0]).max().item())
        out["induction"].append(induction_scores(patterns[-1], TOY_LEN).max().item())
    return out


two, one = checkpoints("two_layer"), checkpoints("one_layer")
steps = list(two)
grown, control_grown = history(two), history(one)
plots.lines(
    {"two layers": grown["repeat"], "one layer (control)": control_grown["repeat"]},
    at=steps,
    title="Two layers learn induction, and they learn it suddenly",
    x="training step",
    y="loss on the repeat (nats)",
)

# %%
plots.lines(
    {
        "best induction head, layer 1": grown["induction"],
        "best previous-token head, layer 0": grown["previous"],
        "one layer: best induction score (control)": control_grown["induction"],
    },
    at=steps,
    title="Both kinds of head appear in the same short window",
    x="training step",
    y="score",
)

# %% [markdown]
# Until step 400 the two models look alike; then both get better on the repeat, and the one-layer model is even ahead.
# And then, between steps 1,000 and 1,400, the two-layer model falls from **3.1** to **0.47** nats. In the same window
# its best induction score goes from **0.11** to **0.72**, and a previous-token head appears. Olsson and colleagues saw such a
# **phase change** in the models they trained that have more than one layer, and in none with one. Here all three seeds that were trained
# show it, at slightly different steps (`data/induction/seeds.json`). To train them yourself: `make data D=induction`, some
# six minutes.
#
# The one-layer model ends at **2.3** nats. That is well below the first half (**4.3**), so it has learned *something*.
# Is it induction? Induction compares the *current* token with earlier ones. So give both models a wrong current
# token: replace the whole second half by other random tokens, and still score the predictions on what would have
# come.

# %%
replaced = toy_tokens.clone()
replaced[:, 1 + TOY_LEN :] = torch.randint(
    1, 65, (64, TOY_LEN), generator=torch.Generator().manual_seed(6)
)
trained = {"two layers": two[max(two)], "one layer": one[max(one)]}
with torch.no_grad():
    right_token = {name: loss_by_half(toy(toy_tokens), toy_tokens) for name, toy in trained.items()}
    wrong_token = {
        name: loss_by_half(toy(replaced), toy_tokens)[1] for name, toy in trained.items()
    }
plots.table(
    [(name, f"{right_token[name][1]:.2f}", f"{wrong_token[name]:.2f}") for name in trained],
    columns=["loss on the repeat (nats)", "right current token", "wrong current token (control)"],
)

# %% [markdown]
# With a wrong current token the two-layer model is lost: **4.5** nats, worse than guessing evenly among 64 tokens
# (ln 64 is `4.16`). The one-layer model hardly notices: **2.5**. So it hardly looks at the current token. It has learned that
# tokens which came once are likely to come again, and at which distances (`data/induction/README.md` has the measurements). That is
# worth a lot, and it is not induction.
#
# ### The finished circuit, read with your own tools
#
# Now your own tools, on weights where nothing is hidden: no rotation, no norm with weights, no other layers.

# %%
final = two[max(two)]
with torch.no_grad():
    _, cache = final.run_with_cache(toy_tokens)
    toy_previous = previous_token_scores(cache["pattern", 0])
    toy_induction = induction_scores(cache["pattern", 1], TOY_LEN)
    toy_composition = torch.stack(
        [
            k_composition(final.W_V[0] @ final.W_O[0], final.W_Q[1, h] @ final.W_K[1, h].T)
            for h in range(final.cfg.n_heads)
        ],
        dim=1,
    )  # [head of layer 0, head of layer 1]
    toy_copying = [
        copying_score(final.W_E, final.W_V[1, h], final.W_O[1, h], final.W_U)
        for h in range(final.cfg.n_heads)
    ]


def toy_loss_without(heads) -> float:
    """Loss on the repeat of the final two-layer model, with `heads` ablated."""
    with torch.no_grad(), ablated(final, heads):
        return loss_by_half(final(toy_tokens), toy_tokens)[1]


toy_cost = {
    head: toy_loss_without([head]) - toy_loss_without([])
    for head in [(layer, h) for layer in (0, 1) for h in range(4)]
}
plots.table(
    [
        (head_name((0, h)), f"{toy_previous[h]:.2f}", "", "", f"{toy_cost[0, h]:+.2f}")
        for h in range(4)
    ]
    + [
        (
            head_name((1, h)),
            "",
            f"{toy_induction[h]:.2f}",
            f"{toy_copying[h]:.2f}",
            f"{toy_cost[1, h]:+.2f}",
        )
        for h in range(4)
    ],
    columns=["head", "previous token", "induction", "copying", "added loss without it"],
)

# %%
plots.table(
    [(head_name((0, a)), *(f"{toy_composition[a, b]:.2f}" for b in range(4))) for a in range(4)],
    columns=["K-composition of", *(f"with {head_name((1, b))}" for b in range(4))],
)

# %% [markdown]
# Here the textbook story holds well. One previous-token head, L0H1 (**0.55**), without which the repeat costs **3.6** nats
# more. Two induction heads, L1H2 and L1H3, which copy almost perfectly (**0.99**), where the other two heads of their
# layer do not (**0.36**, below chance). And what these two read most, of all that layer 0 writes, is L0H1, at **0.31**.
#
# And one more warning. The *largest* entry of the composition table, **0.39**, belongs to another pair, L0H3 with
# L1H1. Ablate either: nothing happens. Read such a table column by column, from a head whose job you know;
# and then ablate.

# %% tags=["numbers"]
claim("two layers at step 1000, nats", grown["repeat"][steps.index(1000)], text=3.1, within=0.1)
claim("two layers at step 1400, nats", grown["repeat"][steps.index(1400)], text=0.47, within=0.05)
claim("induction score at step 1000", grown["induction"][steps.index(1000)], text=0.11, within=0.03)
claim("induction score at step 1400", grown["induction"][steps.index(1400)], text=0.72, within=0.03)
early, late = steps.index(400), steps.index(1000)
assert abs(grown["repeat"][early] - control_grown["repeat"][early]) < 0.3
assert control_grown["repeat"][late] < grown["repeat"][late]
claim("one layer at the end, nats", control_grown["repeat"][-1], text=2.3, within=0.1)
claim("one layer on the first half, nats", right_token["one layer"][0], text=4.3, within=0.1)
claim("two layers, wrong current token, nats", wrong_token["two layers"], text=4.5, within=0.2)
assert wrong_token["two layers"] > torch.tensor(64.0).log()
claim("one layer, wrong current token, nats", wrong_token["one layer"], text=2.5, within=0.15)
claim("previous-token score of L0H1", toy_previous[1], text=0.55, within=0.02)
claim(
    "copying score of L1H2 and L1H3", (toy_copying[2] + toy_copying[3]) / 2, text=0.99, within=0.02
)
claim(
    "copying score of L1H0 and L1H1", (toy_copying[0] + toy_copying[1]) / 2, text=0.36, within=0.05
)
claim(
    "K-composition of L0H1 with the induction heads",
    toy_composition[1, 2:].mean(),
    text=0.31,
    within=0.02,
)
claim("added loss without L0H1, nats", toy_cost[0, 1], text=3.6, within=0.2)
assert toy_composition[:, 2:].argmax(0).tolist() == [1, 1]
claim("largest K-composition", toy_composition.max(), text=0.39, within=0.02)
assert (
    toy_composition[3, 1] == toy_composition.max() and toy_cost[0, 3] < 0.1 and toy_cost[1, 1] < 0.1
)

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "loss on the first half, repeat (nats)",
            f"{first:.1f}, {second:.1f}",
            f"{second_unrepeated:.1f} unrepeated",
            "",
        ),
        (
            "best induction score",
            f"{scores['induction'][best]:.2f} ({head_name(best)})",
            f"{control_scores['induction'][best]:.2f} unrepeated",
            "0.93 (L5H5)",
        ),
        (
            "added loss without the top 5",
            f"{cost['top 5'].item():+.1f}",
            f"{cost['5 random'].mean():+.1f} for 5 random heads",
            "+6.4; +0.23 random",
        ),
        (
            "copying score of the top 5",
            f"{top_copying.mean():.2f}",
            f"{copying.median():.2f} median of all heads",
            "",
        ),
        (
            "K-composition of L16H0 with the best",
            f"{composition[best][16, 0]:.2f}",
            f"{composition[best].median():.2f} median of earlier heads",
            "",
        ),
        (
            "induction score without L16H0",
            f"{tests['L16H0'][0]:.2f}",
            f"{tests['L11H1'][0]:.2f} without L11H1",
            "",
        ),
        (
            "two-layer toy instead: loss on the repeat (nats)",
            f"{right_token['two layers'][1]:.2f}",
            f"{right_token['one layer'][1]:.2f} with one layer",
            "the same phase change (Olsson et al.)",
        ),
        (
            "added loss on repeats in text",
            f"{text_top[0]:+.1f}",
            f"{text_random[:, 0].mean():+.2f} for 5 random heads",
            "",
        ),
    ],
    columns=[
        "",
        "SmolLM2-135M-Instruct",
        "control",
        "elsewhere (GPT-2 small in other courses, not measured here)",
    ],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. The five heads were chosen by a score and then tested on fresh tokens. What would be wrong with
#    testing them on the tokens that chose them? Here, would it matter?
# 2. The copying score did not single out the induction heads, and ablation did. Which of the two is evidence
#    for "these heads copy"?
# 3. L17H8 feeds the two induction heads of layer 18. Why can it not feed the three of layer 17? Ablate it, and look
#    at the five scores one by one.
# 4. Are there behaviours for which no single head is to be found? What would the heatmap look like?
#
# ## Common mistakes
#
# - The stripe at `-seq_len`: that is the earlier copy itself, a *duplicate-token* head.
# - Counting the first token of the repeat, which nobody can predict.
# - Taking a high attention score for a cause.
# - Ablating one random set as a control. Draw many; one draw may hit something that matters.
#
# ## Where this breaks
#
# "Induction head" is a name for a score on random tokens. The same heads may do other things in other contexts, and a
# model may continue repeats in other ways too: without the five heads the loss on the repeat is still
# below that of the first half. The composition score looks at weights without the norm's division and without
# rotation.
#
# ## Further reading
#
# - Olsson et al. (2022), *In-context Learning and Induction Heads*, arXiv 2209.11895
# - Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*
# - Singh et al. (2024), *What needs to go right for an induction head?*, arXiv 2404.07129
# - `transformer_lens.head_detector.detect_head` finds previous-token, duplicate-token and induction heads in any text
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [00 · Meet the model](00_meet_the_model.ipynb) | **Next:** [1.2 · How induction is made](12_how_induction_is_made.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/00_meet_the_model.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("11")
