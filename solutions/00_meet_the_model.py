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
# # 00 · Meet the model
#
# [![Open lesson 00 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/00_meet_the_model.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Next:** [1.1 · Induction heads](11_induction_heads.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/11_induction_heads.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. say exactly which tokens a model saw, and why the first one matters more than you would think;
# 2. take any activation out of a model, know what it costs in memory, and change it on the way;
# 3. read the residual stream as a running sum, and ask each layer what it would predict.
#
# **Time** 60 to 80 minutes. **Needs** Python and some PyTorch; you know roughly what a transformer is.
# **Runs** in about half a minute on a laptop's processor, no GPU, no account. The first lesson on a
# machine also fetches the model: 93 MB.
#
# **How a lesson works.** Run the cells from the top. Where you see *Predict first*, write your guess
# down before you go on, or commit to it in the form below. An exercise is a function with an empty body: fill it
# in, run its check, and open a hint when you are stuck for more than a few minutes. The lesson goes on with
# your function where the check finds it right, and with the course's otherwise: you can skip an exercise.
# A number in **bold** was measured here, and a cell nearby holds the text to it: `claim` compares what your
# machine just measured with what the text says.
#
# Two words from the start. An **activation** is any tensor that the model computes on the way from text to
# prediction. A **control** is the same measurement where the effect should *not* be: without it, a number
# means little. Layers, heads and positions are counted from 0, so the last of 30 layers is layer 29.

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

from utils import plots
from utils.checks import lesson_00
from utils.lesson import claim
from utils.models import load

model = load()

# %% [markdown]
# ## 1. Who is this?
#
# You just loaded **SmolLM2-135M-Instruct**, a real language model that was trained on two trillion
# tokens and then tuned to chat. It is small enough to think about and to run on a laptop, and it is
# large enough to have learned things.
#
# One thing to know before you trust any number below. The weights came *quantised*: the matrices of the
# layers as 4-bit integers, which in each block of 32 weights mark 16 steps from a smallest to a largest
# value, and the embedding as 8-bit integers. They have been *de-quantised*, turned back into ordinary
# floating-point numbers. So everything you do here is exact for *this* model, and this model is a slightly
# blurred copy of the published one. Expect the same mechanisms; do not expect the same third decimal as a
# paper that used the original.
#
# The model sits inside a TransformerLens `TransformerBridge`. That is what gives every activation a
# name. Every model in this course does, the tiny ones too, so what you learn here carries over.

# %% tags=["nbval-check-output"]
cfg = model.cfg
print("layers:", cfg.n_layers, "| attention heads a layer:", cfg.n_heads)
print("key-value heads a layer:", cfg.n_key_value_heads, "| d_model:", cfg.d_model)
print("d_head:", cfg.d_head, "| d_mlp:", cfg.d_mlp, "| vocabulary:", cfg.d_vocab)

# %% [markdown]
# `d_model` is the width of the residual stream: the vector that each position carries from layer to
# layer. `n_heads` is 9 but there are only 3 key-value heads: three query heads share each key and
# value. That is *grouped-query attention*; remember it when you look at keys in lesson 1.1.
#
# ### Can it do anything at all?
#
# Every lesson starts with a **capability gate**. There is no point in asking *how* a model does
# something that it does not do. Here: is the right word the model's first choice?

# %%
facts = {
    "The Eiffel Tower is located in the city of": " Paris",
    "The capital of Italy is": " Rome",
    "The opposite of hot is": " cold",
    "The first president of the United States was George": " Washington",
    "In 1969, Neil Armstrong walked on the": " moon",
    "The colour of grass is": " green",
}


@torch.no_grad()
def next_token(prompt: str, answer: str) -> tuple[float, int]:
    """Probability of the one-token `answer` right after `prompt`, and its place (1 is first)."""
    probabilities = model(prompt)[0, -1].softmax(-1)  # the model gives [batch=1, pos, d_vocab]
    p = probabilities[model.to_single_token(answer)]
    return p.item(), 1 + int((probabilities > p).sum())


prompts, answers = list(facts), list(facts.values())
right, place = zip(*(next_token(p, a) for p, a in facts.items()), strict=True)
# The control: the same answers, each after the next fact's prompt.
swapped = [next_token(p, a)[0] for p, a in zip(prompts[1:] + prompts[:1], answers, strict=True)]
plots.table(
    [
        (p, a, n, f"{r:.3f}", f"{s:.0e}")
        for p, a, n, r, s in zip(prompts, answers, place, right, swapped, strict=True)
    ],
    columns=["prompt", "answer", "place", "probability", "after another prompt (control)"],
)

# %% [markdown]
# Five of the six right answers come first. The first, ` Paris`, gets probability **0.30**, where a uniform
# guess over the vocabulary would give one in 49,152. After somebody else's prompt the same words get almost
# nothing, so it is the prompt that does it, not a fondness for those words. The sixth fails: ` green` is only
# in place **27**. Gates exist to be failed, too. We leave grass alone from here on.

# %% tags=["numbers"]
assert place[:5] == (1, 1, 1, 1, 1)
claim("P(' Paris') after its own prompt", right[0], text=0.30, within=0.03)
claim("place of ' green'", place[5], text=27, within=5)
assert all(r > 100 * s for r, s in zip(right[:5], swapped[:5], strict=True))

# %% [markdown]
# ## 2. What the model sees: tokens
#
# A model never sees text. A *tokenizer* cuts the text into pieces from a fixed vocabulary, and the
# model gets their numbers.
#
# *Predict first:* how many tokens is `Paris paris PARIS`? How many is `12345`?

# %% tags=["nbval-check-output"]
for text in ["The Eiffel Tower is in Paris", "Paris paris PARIS", "12345 + 678", "Ouagadougou"]:
    print(model.to_str_tokens(text, prepend_bos=False))

# %% [markdown]
# Five tokens each, and three things to take away.
#
# - **A space belongs to the word after it.** ` Paris` and `Paris` are different tokens with different
#   numbers. In running text the word almost always comes with its space, so that is the one to ask for.
# - **Case and rarity cost tokens.** The common ` Paris` is one token because the tokenizer met it often;
#   `Ouagadougou` is six.
# - **Digits are split**, each its own token, and the space before a number is a token of its own. So 678 in
#   running text is four tokens, and four predictions. Lesson 1.4 comes back to what that means for measuring
#   an answer.
#
# ### Exercise 1 · one token or not? (10 minutes, easy)
#
# Many experiments need answers that are a single token. Write the function that finds out.


# %% tags=["exercise:utils.circuits.residual.answer_token"]
def answer_token(model, word: str) -> int | None:
    """The id of `word` as it follows other text, where that is one token; otherwise None.

    Args:
        model: has `model.to_tokens(text, prepend_bos=...)`, which gives ids of shape [1, n_tokens].
        word: without its leading space, such as "Paris".
    """
    ### BEGIN SOLUTION
    tokens = model.to_tokens(" " + word, prepend_bos=False)[0]
    return int(tokens[0]) if len(tokens) == 1 else None
    ### END SOLUTION


# %% tags=["check"]
answer_token = lesson_00.check_answer_token(answer_token)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Try it on one word by hand: print `model.to_tokens(...)` for a word with and without a space in front,
# and with `prepend_bos=True` and `False`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Put the space in front yourself, ask for no BOS, and look at how many ids come back.
#
# </details>

# %% tags=["nbval-check-output"]
for word in ["Paris", "Rome", "green", "Ouagadougou", "678"]:
    print(f"{word:12} {answer_token(model, word)}")

# %% [markdown]
# ## 3. The first token is not like the others
#
# Many models are trained with a *beginning of sequence* token, **BOS**, at the start of each text. Here
# is the question that newcomers ask most: **does the tool add it for me?**
#
# - The Hugging Face tokenizer of this model does **not**.
# - TransformerLens does: `model.to_tokens(text)` puts `<|im_start|>` in front unless you say
#   `prepend_bos=False`.
#
# So the two disagree by one position. If you look up the activation at some position and it is off by one, this
# is why.

# %% tags=["nbval-check-output"]
prompt = "The Eiffel Tower is located in the city of"
with_bos, without_bos = model.to_tokens(prompt), model.to_tokens(prompt, prepend_bos=False)
print(with_bos.shape, model.to_str_tokens(prompt)[:4])
print(without_bos.shape, model.to_str_tokens(prompt, prepend_bos=False)[:4])

# %% [markdown]
# *Predict first:* the residual stream is a vector of 576 numbers at each position. Its *norm* is its
# length. Will the norm at BOS be about the same as at other positions? What about a run without BOS?
#
# `run_with_cache` runs the model and keeps activations in a *cache*, by name: `blocks.15.hook_resid_post` is the
# residual stream after layer 15, `blocks.15.attn.hook_pattern` who attended to whom there. `names_filter` says which to
# keep. For a short form, `cache["resid_post", 15]` finds the first of these.


# %%
def resid_norms(tokens: torch.Tensor) -> torch.Tensor:
    """Norm of the residual stream after every layer, [layer, pos]."""
    with torch.no_grad():
        _, cache = model.run_with_cache(
            tokens, names_filter=lambda name: name.endswith("hook_resid_post")
        )
    return torch.stack(
        [cache["resid_post", layer][0].norm(dim=-1) for layer in range(cfg.n_layers)]
    )


norms, norms_without = resid_norms(with_bos), resid_norms(without_bos)
plots.lines(
    {
        "position 0, which is BOS": norms[:, 0].tolist(),
        "position 0 without BOS: the word 'The'": norms_without[:, 0].tolist(),
        "median of the other positions": norms[:, 1:].median(dim=1).values.tolist(),
    },
    title="From layer 11 on, whatever stands first is a hundred times longer",
    x="layer",
    y="norm of the residual stream",
    log_y=True,
)

# %% [markdown]
# The vector at BOS starts long, shrinks back to the size of the others at layer 9, and at layer 11 it explodes.
# After layer 15 its norm is about **25,000**; the median of the other positions is
# about **170**. These are *massive activations*. Only in the last two layers does it shrink again. The
# control is the run without BOS: now `The` stands first, and it grows to about **23,000**. So this is
# a property of the *first position*, and not something about the token `<|im_start|>`.
#
# What is it for? The usual explanation: attention weights must sum to one, so a head with nothing to do needs
# somewhere to look, and the first position is that place, an *attention sink* (Xiao and colleagues, below). What
# we can measure fits: over all heads, about **63%** of attention goes there, and little of it in the earliest layers.

# %%
with torch.no_grad():
    _, cache = model.run_with_cache(
        with_bos, names_filter=lambda name: name.endswith("hook_pattern")
    )
patterns = torch.stack(
    [cache["pattern", layer][0] for layer in range(cfg.n_layers)]
)  # [layer, head, q, k]
to_first = patterns[:, :, 1:, 0].mean().item()
# Control: the mean attention that an even spread over the visible positions would send there.
n_pos = with_bos.shape[1]
even_spread = sum(1 / (q + 1) for q in range(1, n_pos)) / (n_pos - 1)
paris = answer_token(model, "Paris")
with torch.no_grad():
    p_with, p_without = [model(t)[0, -1].softmax(-1)[paris].item() for t in (with_bos, without_bos)]
print(f"attention to position 0: {to_first:.2f}; an even spread would send {even_spread:.2f}")
early = patterns[:2, :, 1:, 0].mean().item()
print(f"in the first two layers: {early:.2f}")
print(f"P(' Paris') with BOS {p_with:.2f}, without {p_without:.2f}")

# %% tags=["numbers"]
claim("norm at BOS after layer 15", norms[15, 0], text=25000, within=1000)
claim("median norm elsewhere after layer 15", norms[15, 1:].median(), text=170, within=15)
claim("norm at 'The' when it stands first", norms_without[15, 0], text=23000, within=1000)
claim("percent of attention on position 0", 100 * to_first, text=63, within=3)
claim("P(' Paris') without BOS", p_without, text=0.70, within=0.05)
assert early < even_spread < to_first
assert norms[9, 0] < 2 * norms[9, 1:].median() and norms[11, 0] > 100 * norms[11, 1:].median()

# %% [markdown]
# And BOS changes *every* activation after it, also at the same word. Take each word's residual stream after layer 15, once
# from the run with BOS and once from the run without, one position earlier. The *cosine* of the two is 1 if they
# point the same way:


# %%
def resid_at_15(tokens: torch.Tensor) -> torch.Tensor:
    """Residual stream after layer 15, [pos, d_model]."""
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter="blocks.15.hook_resid_post")
    return cache["resid_post", 15][0]


cosines = torch.cosine_similarity(resid_at_15(with_bos)[1:], resid_at_15(without_bos), dim=-1)
for word, cosine in zip(model.to_str_tokens(without_bos[0]), cosines.tolist(), strict=True):
    print(f"{word!r:10} {cosine:.2f}")

# %% tags=["numbers"]
claim("cosine of the two ' E'", cosines[1], text=0.93, within=0.03)
claim("cosine of the two 'The'", cosines[0], text=0.65, within=0.05)
assert cosines[2:].min() > 0.95

# %% [markdown]
# `The`, which stands first in one of the runs, is another vector (**0.65**). The next token differs a little (**0.93**), and later
# ones less and less. And so do the answers. Without BOS, ` Paris` gets probability **0.70**; with it, **0.30** as before.
# Neither is wrong. What is wrong is to mix them: to compare a cache with BOS to one without, or to
# average over positions and let one vector of norm 25,000 drown all the rest.
#
# > **Habit.** Say whether there was a BOS whenever you report a number. Leave position 0 out of averages.
#
# ## 4. Raw text and chat
#
# The model was tuned on conversations, written in a *chat template*. The template is text as well:
# special tokens mark who speaks.

# %% tags=["nbval-check-output"]
question = "What is the capital of France?"
chat = model.tokenizer.apply_chat_template(
    [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
)
print(chat)


# %%
def complete(text: str, **options) -> str:
    """What the model adds to `text`, greedily unless told otherwise."""
    options = {"do_sample": False, "max_new_tokens": 12, "verbose": False, **options}
    tokens = model.to_tokens(text, prepend_bos=not text.startswith("<|im_start|>"))
    return model.tokenizer.decode(model.generate(tokens, **options)[0, tokens.shape[1] :])


print("raw: ", repr(complete(question)))
print("chat:", repr(complete(chat)))

# %% [markdown]
# Asked in raw text, the model sees a finished question and ends the text (`<|im_end|>`). In the
# template it answers. The template already starts with `<|im_start|>`, which *is* this model's BOS: add
# one more and there are two. `complete` takes care of that.
#
# This course mostly uses raw text: it is shorter, and positions are easier to count.
#
# ## 5. The residual stream is a running sum
#
# Here is the idea that all of this course rests on. Each layer *adds* to the residual stream. Nothing
# is ever overwritten:
#
# `resid_post = embed + attn_out(0) + mlp_out(0) + attn_out(1) + mlp_out(1) + ...`
#
# So the final vector can be taken apart into the contributions of its parts, exactly.
#
# In a cache, `hook_embed` is the embedding, `blocks.3.hook_attn_out` what the attention of layer 3 adds,
# and `blocks.3.hook_mlp_out` what its MLP adds.
#
# Use these full names as keys. *Predict first:* the model has 30 layers. How many parts is that?
#
# ### Exercise 2 · take the stream apart (10 minutes, easy)
#
# From here on the first lines of an exercise name the axes of its tensors: `Float[Tensor, "part batch pos d_model"]`
# is a tensor of floats with these four. Dots or a star (`"... d_model"`, `"*head"`) stand for any axes,
# `#batch` for one that may be 1, and `choice=3` for an axis of 3. These are notes to readers; Python runs without looking at them.


# %% tags=["exercise:utils.circuits.residual.residual_parts"]
def residual_parts(cache, n_layers: int) -> Float[Tensor, "part batch pos d_model"]:
    """What was written into the residual stream, in order.

    The order: embedding, then for each layer what its attention adds and what its MLP adds. The
    parts sum to the stream after the last block. TransformerLens has the same as
    `ActivationCache.decompose_resid`.

    Args:
        cache: name -> activation [batch, pos, d_model], with the names given above.
        n_layers: how many layers the model has.
    """
    ### BEGIN SOLUTION
    names = ["hook_embed"]
    for layer in range(n_layers):
        names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
    return torch.stack([cache[name] for name in names])
    ### END SOLUTION


# %% tags=["check"]
residual_parts = lesson_00.check_residual_parts(residual_parts)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Make a list of names first, in the right order, and print it. It has one entry more than twice the
# number of layers.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.stack` of the activations makes the new first axis. `hook_resid_pre` and `hook_resid_post` are
# sums, not parts: leave them out.
#
# </details>

# %%
with torch.no_grad():
    logits, cache = model.run_with_cache(with_bos)
parts = residual_parts(cache, cfg.n_layers)
final = cache["resid_post", cfg.n_layers - 1]


def relative_error(total: torch.Tensor) -> float:
    """Largest distance from the true final vector, as a share of its norm, over positions."""
    return ((total - final).norm(dim=-1) / final.norm(dim=-1)).max().item()


exact = relative_error(parts.sum(0))
without_mlps = relative_error(parts[[0, *range(1, len(parts), 2)]].sum(0))
print(
    f"{len(parts)} parts; error of their sum {exact:.1e}; with the MLPs left out {without_mlps:.2f}"
)

# %% tags=["numbers"]
assert len(parts) == 61
assert exact < 1e-3, "the parts must add up"
assert without_mlps > 0.5, "and must not add up when some are missing"

# %% [markdown]
# The 61 parts (the embedding, and two for each of 30 layers) add up to the last digit that the arithmetic
# carries. The control: leave the MLPs out, and the sum is far off. So the match is not automatic.
#
# TransformerLens does this too, with labels: `cache.decompose_resid(return_labels=True)`.
#
# What this does *not* show: that each part is *understood* alone, or that removing one would change the
# output by just its share. Later layers read the sum, and react.
#
# ## 6. Hooks: look, and touch
#
# A *hook* is a function that the model calls with an activation while it runs. It can look, and it can
# return something else in place of what it was given. `run_with_hooks` takes pairs of a name and a
# function, and takes the hooks away when it is done.
#
# *Predict first:* suppose the attention of one layer adds nothing. Which layer will hurt ` Paris` most?


# %%
def silence(activation: torch.Tensor, hook) -> torch.Tensor:
    """A hook that replaces what a part adds with zeros."""
    return torch.zeros_like(activation)


effect = {}
with torch.no_grad():
    for kind in ["attn", "mlp"]:
        effect[kind] = [
            model.run_with_hooks(
                with_bos, fwd_hooks=[(f"blocks.{layer}.hook_{kind}_out", silence)]
            )[0, -1]
            .log_softmax(-1)[paris]
            .item()
            for layer in range(cfg.n_layers)
        ]
    clean = model(with_bos)[0, -1].log_softmax(-1)[paris].item()
plots.lines(
    {
        "attention silenced": effect["attn"],
        "MLP silenced": effect["mlp"],
        "nothing silenced": [clean] * 30,
    },
    title="Most layers can be silenced at little cost; a few cannot",
    x="the layer whose output is replaced by zeros",
    y="log-probability of ' Paris' (nats)",
)

# %% [markdown]
# The vertical axis is in *nats*: natural logarithms, so one nat less means a probability `e` = `2.7` times smaller. Most
# silenced parts cost little; silencing some even raises ` Paris`; and a few are fatal. Of the attention layers,
# layer 1 hurts most. But nothing compares with the first MLP: without it ` Paris` loses
# about **17** nats, and becomes tens of millions of times less probable. Does that mean that the first MLP knows where the Eiffel Tower is? **No.** The control is a prompt that has nothing
# to do with towers:

# %%
with torch.no_grad():
    other = model.to_tokens("In 1969, Neil Armstrong walked on the")
    moon = answer_token(model, "moon")
    hook = [("blocks.0.hook_mlp_out", silence)]
    intact = model(other)[0, -1].log_softmax(-1)[moon]
    moon_cost = intact - model.run_with_hooks(other, fwd_hooks=hook)[0, -1].log_softmax(-1)[moon]
paris_cost = clean - effect["mlp"][0]
print(f"silencing MLP 0 costs ' Paris' {paris_cost:.1f} nats and ' moon' {moon_cost:.1f} nats")

# %% tags=["numbers"]
claim("cost of silencing MLP 0 for ' Paris', nats", paris_cost, text=17, within=1)
assert moon_cost > 5, "the control is hurt as well"
assert effect["attn"].index(min(effect["attn"])) == 1
assert max(effect["attn"] + effect["mlp"]) > clean, "silencing some raises ' Paris'"
torch.testing.assert_close(
    model(with_bos)[0, -1].log_softmax(-1)[paris].item(), clean
)  # the hooks are gone

# %% [markdown]
# The unrelated prompt is ruined as well. The usual reading: the first MLP works almost as a second embedding, and
# everything after it relies on it. *A part that breaks everything tells you nothing about one fact.* You
# will meet this trap again in lessons 1.1 to 1.5, always with the same cure: a control.
#
# ## 7. What a cache costs
#
# `run_with_cache` kept every activation of the run. For eleven tokens that is harmless. For a batch of
# long texts it is what fills a GPU.
#
# A cache has more names than memory: `blocks.0.hook_resid_pre` and `blocks.0.hook_in` are *the same numbers* under two
# names. So adding up all sizes overcounts. In PyTorch a tensor is a *view*: a shape, laid over a block of memory that
# is called its **storage**, `t.untyped_storage()`. Several tensors can share one storage, and a slice such as `t[1:]` keeps
# the *whole* storage of `t` alive. What counts is storages.
#
# ### Exercise 3 · weigh the cache (10 minutes, medium)


# %% tags=["exercise:utils.circuits.residual.cache_bytes"]
def cache_bytes(cache) -> int:
    """Bytes of memory behind a cache: the sum over its storages, each counted once and whole.

    Args:
        cache: name -> tensor, of any dtype; some may be slices of others.
    """
    ### BEGIN SOLUTION
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in cache.values()}
    return sum(storage.nbytes() for storage in storages.values())
    ### END SOLUTION


# %% tags=["check"]
cache_bytes = lesson_00.check_cache_bytes(cache_bytes)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A storage has `.nbytes()`, its size, and `.data_ptr()`, the address that tells one storage from another.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Collect the storages in a dictionary whose keys are addresses. The same address twice is then one
# entry. Sum the bytes of the entries.
#
# </details>

# %%
added_up = sum(t.numel() * t.element_size() for t in cache.values())
with torch.no_grad():
    _, small = model.run_with_cache(
        with_bos, names_filter=["blocks.15.hook_resid_post"], stop_at_layer=16
    )
print(
    f"{len(cache)} names; added up {added_up / 1e6:.1f} MB; in memory {cache_bytes(cache) / 1e6:.1f} MB"
)
print(f"one layer's residual stream: {cache_bytes(small) / 1e3:.1f} kB")

# %% [markdown]
# The names add up to about **40** MB, but only **18** MB are really there. That is still some seven
# hundred times the single activation that you may have wanted. So ask for less:
#
# - `names_filter=` takes a name, a list of names, or a function of the name: only those are kept;
# - `stop_at_layer=16` does not run the layers from 16 on at all.
#
# **Is 6 GB of GPU enough?** For this model, which takes half a gigabyte, easily, if you filter. For a short text most of a
# cache is the many activations of each layer. For long ones the attention patterns take over, since
# they grow with the *square* of the length; and in batches the logits count, 49,152 numbers a position.
# **Must you store terabytes of activations** to study many texts? No: keep one layer, in half precision,
# and throw away what you have used. Lesson 4.2 trains on a stream in this way.

# %% tags=["numbers"]
claim("MB, all names added up", added_up / 1e6, text=40, within=2)
claim("MB in memory", cache_bytes(cache) / 1e6, text=18, within=2)
assert cache_bytes(small) == 11 * 576 * 4
assert 650 < cache_bytes(cache) / cache_bytes(small) < 750
assert 0.5e9 < 4 * model.n_params_total < 0.6e9

# %% [markdown]
# ## 8. What would you say if you stopped here? The logit lens
#
# At the end, the model turns the residual stream into logits: a final normalisation, `model.ln_final`,
# then the unembedding matrix `W_U`. But the residual stream has the same shape at every layer. So apply
# the same two steps early and see what comes out. That is the **logit lens**.
#
# *Predict first:* at which of the 30 layers does ` Paris` become the first choice?
#
# ### Exercise 4 · build the lens (10 minutes, easy)


# %% tags=["exercise:utils.circuits.residual.logit_lens"]
def logit_lens(
    resid: Float[Tensor, "*any d_model"],
    ln_final: Callable[[Tensor], Tensor],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> Float[Tensor, "*any d_vocab"]:
    """Logits the model would give if this were the last layer.

    Source: nostalgebraist's logit lens (2020). TransformerLens has more of it, with ranks and
    entropies, as `transformer_lens.tools.analysis.logit_lens`.

    Args:
        resid: residual stream.
        ln_final: the final normalisation, a function of [..., d_model].
        W_U: the unembedding.
    """
    ### BEGIN SOLUTION
    return ln_final(resid) @ W_U
    ### END SOLUTION


# %% tags=["check"]
logit_lens = lesson_00.check_logit_lens(logit_lens)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two steps, in the order in which the model takes them at its end.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The last axis of the normalised stream meets the first axis of `W_U`: a matrix product. Logits are
# asked for, not probabilities.
#
# </details>

# %%
with torch.no_grad():
    stream = torch.stack([cache["resid_post", layer][0, -1] for layer in range(cfg.n_layers)])
    lens = logit_lens(stream, model.ln_final, model.W_U)  # [layer, d_vocab]


def rank(logits: torch.Tensor, word: str) -> list[int]:
    """How many tokens stand above `word`, at each layer."""
    target = logits[:, answer_token(model, word)]
    return (logits > target[:, None]).sum(-1).tolist()


others = ["Rome", "Berlin", "Madrid", "Vienna", "London"]
other_ranks = torch.tensor([rank(lens, word) for word in others]).float().median(0).values
plots.lines(
    {
        "' Paris'": [1 + r for r in rank(lens, "Paris")],
        "median of five other capitals (control)": (1 + other_ranks).tolist(),
        "' banana' (control)": [1 + r for r in rank(lens, "banana")],
    },
    title="' Paris' climbs to first place in the last seven layers",
    x="layer",
    y="rank in the vocabulary (1 is first)",
    log_y=True,
)

# %% [markdown]
# For most of the way ` Paris` is nowhere. Then it climbs: it is among the first thirty only after
# layer **26**, and comes first after the last layer. The controls: other capitals climb as well, but not as far, and
# ` banana` hardly does. It looks as if the model first finds out that a *place* is wanted, and then which.
#
# **What this does not show.** A rank in the thousands does not mean that the model "does not know yet".
# The lens reads early layers in the language of the last one, and they may speak another. Lesson 2.1
# trains a translator for each layer, a *probe*, and finds things that the lens cannot see.
#
# Now the library's own, which also does entropies, top tokens and many targets at once:

# %%
from transformer_lens.tools.analysis import logit_lens as library_lens

with torch.no_grad():
    theirs = (
        library_lens(model, prompt, targets=" Paris", positions=-1)
        .rank_trajectory(" Paris")
        .flatten()
    )
ranks = rank(lens, "Paris")
print("theirs:", theirs.tolist()[-6:])
print("ours:  ", ranks[-6:])

# %% tags=["numbers"]
assert ranks[-1] == 0 and ranks[-2] > 0
assert min(ranks[:23]) > 4000 > 1000 > ranks[23]
claim(
    "first layer after which ' Paris' is among the first thirty",
    next(i for i, r in enumerate(ranks) if r < 30),
    text=26,
    within=0,
)
assert 10 * (1 + ranks[-1]) < other_ranks[-1] < rank(lens, "banana")[-1] / 10
assert theirs.tolist()[1:] == ranks, "the library's first entry is the embedding, before any layer"

# %% [markdown]
# ## 9. From logits to text
#
# The model gives logits; *you* choose a token. `softmax(logits / temperature)` gives probabilities: a low
# temperature sharpens them, a high one flattens them, and zero means *greedy*: always the largest.
#
# ### Exercise 5 · temperature (10 minutes, medium)


# %% tags=["exercise:utils.circuits.residual.token_probabilities"]
def token_probabilities(
    logits: Float[Tensor, "*any d_vocab"], temperature: float
) -> Float[Tensor, "*any d_vocab"]:
    """Sampling probabilities, which sum to one over the vocabulary.

    Args:
        logits: any number of axes in front of the vocabulary.
        temperature: zero or more; 0 is greedy and puts all the mass on the largest logit.
    """
    ### BEGIN SOLUTION
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits / temperature).softmax(-1)
    ### END SOLUTION


# %% tags=["check"]
token_probabilities = lesson_00.check_token_probabilities(token_probabilities)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Divide before the softmax, and mind which axis the vocabulary is on.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Zero cannot be divided by: treat it first. `torch.nn.functional.one_hot` turns a position into a row of
# zeros with a single one.
#
# </details>

# %%
last = logits[0, -1]
for temperature in [0, 0.5, 1, 2]:
    top = token_probabilities(last, temperature).topk(4)
    pairs = zip(top.values.tolist(), top.indices.tolist(), strict=True)
    shown = [f"{model.tokenizer.decode([i])!r} {p:.2f}" for p, i in pairs if p >= 0.005]
    print(f"temperature {temperature}: {', '.join(shown)}")

# %%
torch.manual_seed(0)
for temperature in [0.3, 1.0, 2.0]:
    text = complete("Once upon a time", do_sample=True, temperature=temperature, max_new_tokens=20)
    print(f"temperature {temperature}: {text!r}\n")

# %% [markdown]
# At temperature `2.0` the text falls apart: the long tail of the vocabulary is flat, and there are tens of thousands
# of tokens in it. When later lessons *steer* a model, broken text like this is the cost that they watch.
#
# ## What you found

# %% tags=["results"]
plots.table(
    [
        ("P(' Paris'), with BOS", f"{p_with:.2f}", f"{swapped[0]:.0e} after another prompt"),
        ("P(' Paris'), without BOS", f"{p_without:.2f}", "same prompt, one token less"),
        (
            "norm at position 0, layer 15",
            f"{norms[15, 0]:,.0f}",
            f"{norms[15, 1:].median():.0f} elsewhere",
        ),
        ("attention to position 0", f"{to_first:.2f}", f"{even_spread:.2f} if spread evenly"),
        ("error of the sum of parts", f"{exact:.0e}", f"{without_mlps:.2f} without the MLPs"),
        (
            "rank of ' Paris' after the last layer",
            1 + ranks[-1],
            f"rank {1 + int(other_ranks[-1])} for other capitals",
        ),
    ],
    columns=["SmolLM2-135M-Instruct, de-quantised", "measured", "control"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. Without BOS the model was *more* sure of ` Paris`. Does that make it the better way to run it?
# 2. The residual stream's parts add up exactly. Why is "this part added 10% of the logit" still not the
#    same as "without this part the logit would be 10% lower"?
# 3. Apart from the first, one MLP stands out in the figure of section 6: that of layer 11. Look at the figure of
#    section 3 again. What happens at layer 11 there, and how would you test whether the two are connected?
# 4. The capital lens climbs late. How would you tell *not known yet* from *known, in another language*?
#
# ## Common mistakes
#
# - Asking for `Paris` where the model would write ` Paris`.
# - Mixing a cache with BOS and one without: everything is off by one.
# - Averaging over all positions, with one vector among them that is a hundred times longer than the rest.
# - Keeping whole caches in a list in a loop. Keep the one activation you need.
#
# ## Where this breaks
#
# Not every model has massive activations at the first position, and not every tokenizer splits digits or
# leaves BOS out. Check each time; it takes two lines. The weights here are a 4-bit copy: a difference of
# a few hundredths between this and the published model would not be a surprise.
#
# ## Further reading
#
# - nostalgebraist (2020), *interpreting GPT: the logit lens*
# - Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*: the residual stream
# - Sun et al. (2024), *Massive Activations in Large Language Models*, arXiv 2402.17762
# - Xiao et al. (2023), *Efficient Streaming Language Models with Attention Sinks*, arXiv 2309.17453
# - The [TransformerLens documentation](https://transformerlensorg.github.io/TransformerLens/) and its
#   glossary of terms
#
# **Map:** [all lessons](../notebooks/README.md) | **Next:** [1.1 · Induction heads](11_induction_heads.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/11_induction_heads.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("00")
