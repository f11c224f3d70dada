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
# You will look inside a working language model, switch parts of it off, break an answer and mend it by hand.
# By the end you can
#
# 1. say which tokens a model saw, and read what it predicts next;
# 2. write a *hook*: code that reads or changes an activation while the model runs;
# 3. tell a component that everything needs from one that carries a fact.
#
# **Time** one hour, and half an hour of Going deeper. **Needs** Python, some PyTorch, and a rough idea of a
# transformer. **Runs** on a laptop's processor, without an account. Run the next three cells (Shift+Enter):
# the first time on a machine they fetch the model, 93 MB.

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

from utils import plots
from utils.checks import lesson_00
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.circuits.residual import residual_parts
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap

model = load()
prompt = "The Eiffel Tower is located in the city of"
figures.next_token_bars(model, prompt)

# %%
figures.next_token_bars(model, "Once upon a time there was a little")  # your own text

# %% [markdown]
# **Play for a minute.** Change the text in the last cell and run it again. Try your own town, a nursery
# rhyme, a half sentence in another language. What does the model know, and where does it fail?
#
# What you see is all that a language model gives: for every *token* of its vocabulary, the probability that
# it comes next. A token is a piece of text, often a word with the space before it. ` Paris` gets **0.30**
# here. A uniform guess would give it one in 49,152, the size of the vocabulary.
#
# ### The model
#
# This is **SmolLM2-135M-Instruct**, trained on two trillion tokens and then tuned to chat. Its weights come
# from a *quantised* copy: 4-bit integers for the matrices of the layers, 8-bit integers for the embedding.
# They have been *de-quantised*, turned back into ordinary floating-point numbers. All that you measure is
# exact for *this* model, which is a slightly blurred copy of the published one. Expect the same mechanisms,
# and small differences in the numbers.
#
# ### How a lesson works
#
# Run the cells in order. In a *Predict* box you commit to an answer before you see the result. An *exercise*
# is a function with an empty body: fill it in, then run its check, and open a hint when you are stuck for
# some minutes. The lesson goes on with your function if it is right, and with the course's otherwise, so you
# can skip one. An *investigation* asks for an answer that you find yourself, with a budget. Numbers in
# **bold** were measured on this model, and a test compares them with the text. After "Going deeper" each
# section stands alone.

# %% tags=["numbers"]
with torch.no_grad():
    p_paris = model(prompt)[0, -1].softmax(-1)[model.to_single_token(" Paris")].item()
    bare = model.to_tokens(prompt, prepend_bos=False)
    p_bare = model(bare)[0, -1].softmax(-1)[model.to_single_token(" Paris")].item()
claim("P(' Paris')", p_paris, text=0.30, within=0.03)
claim("P(' Paris') without BOS", p_bare, text=0.70, within=0.05)

# %% [markdown]
# ## 1. Tokens, and one too many
#
# The model never sees letters. A *tokenizer* cuts the text into tokens and gives the model their numbers:

# %% tags=["nbval-check-output"]
for text in ["Paris paris PARIS", "12345 + 678", "Ouagadougou"]:
    print(model.to_str_tokens(text, prepend_bos=False))
print(model.to_str_tokens(prompt))

# %% [markdown]
# Three habits follow.
#
# - **Mind the space.** ` Paris` and `Paris` are different tokens. Inside a sentence the model writes the one
#   with the space, so that is the one to ask for.
# - **Count tokens, not words.** A common word is one token. A rare one is several, and each digit is one.
# - **Say whether there is a BOS.** The last line starts with `<|im_start|>`, which you did not write. It is
#   this model's *beginning of sequence* token, BOS. TransformerLens, the library that we use, puts it in
#   front by itself, unless you say `prepend_bos=False`. The tokenizer of Hugging Face does not. If a position
#   is ever off by one, this is the first thing to check. It changes answers, too: without BOS ` Paris` gets
#   **0.70**.
#
# ### Exercise 1 · what comes next? (5 minutes, easy)
#
# Write what drew the bars. `model.to_tokens(prompt)` gives the ids, with BOS in front. `model(ids)` gives the
# *logits*: for each position and each token of the vocabulary a score, which `softmax` turns into a
# probability. The logits at a position predict the token *after* it. First lines such as
# `Float[Tensor, "batch pos d_vocab"]` name a tensor's axes; they are notes to readers.


# %% tags=["exercise:utils.circuits.residual.next_tokens"]
def next_tokens(model, prompt: str, k: int = 5) -> list[tuple[str, float]]:
    """The `k` most probable next tokens after `prompt`, as (text, probability), best first.

    Args:
        model: `model.to_tokens(prompt)` gives ids [1, pos] with BOS in front, `model(ids)` gives
            logits [1, pos, d_vocab], and `model.tokenizer.decode([i])` gives the text of token i.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        logits = model(model.to_tokens(prompt))
    probabilities = logits[0, -1].softmax(-1)
    top = probabilities.topk(k)
    words = [model.tokenizer.decode([i]) for i in top.indices.tolist()]
    return list(zip(words, top.values.tolist(), strict=True))
    ### END SOLUTION


# %% tags=["check"]
next_tokens = lesson_00.check_next_tokens(next_tokens)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The logits have the shape `[1, pos, d_vocab]`. Which position predicts the next token? `torch.no_grad()`
# around the run saves memory.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `.softmax(-1)` over the vocabulary, then `.topk(k)`, which has `.values` and `.indices`. Decode each index
# by itself: `model.tokenizer.decode([i])`.
#
# </details>

# %% [markdown]
# Every lesson begins with a **capability gate**: there is no point in asking *how* a model does what it
# cannot do. Here are thirteen prompts. Is the right token the first choice? They serve as each other's
# controls later on.

# %%
facts = {
    prompt: " Paris",
    "The capital city of Italy is": " Rome",
    "The capital city of Germany is": " Berlin",
    "The capital city of Japan is": " Tokyo",
    "The capital city of Greece is": " Athens",
    "The capital city of Kenya is": " Nairobi",
    "A baby cat is called a": " kitten",
    "The author of Hamlet is William": " Shakespeare",
    "Water freezes at 0 degrees": " Celsius",
    "One, two, three,": " four",
    "It was raining cats and": " dogs",
    "Bees collect nectar and make": " honey",
    "In a galaxy far, far": " away",
}
found = {text: next_tokens(model, text, 1)[0] for text in facts}
plots.table(
    [(text, facts[text], repr(word), f"{float(p):.2f}") for text, (word, p) in found.items()],
    columns=["prompt", "right answer", "the model's first choice", "its probability"],
)

# %% [markdown]
# All thirteen pass. We kept these prompts *because* they pass, out of more than a hundred that we tried. They
# do not measure what the model knows.

# %% tags=["numbers"]
assert [word for word, _ in found.values()] == list(facts.values())

# %% [markdown]
# ## 2. The residual stream is a sum
#
# What happens between the tokens and the prediction? Each token becomes a vector of 576 numbers, its
# *embedding*. The model is a row of 30 *blocks*. Each has two *components*: an attention layer, which moves
# information between positions, and an MLP, which works on each position alone. A component reads the vector,
# and *adds* its result to it.


# %%
figures.diagram(
    {
        "tokens": (0, 0),
        "before block 0:<br>the embedding": (1.1, 0),
        "before block 1": (2.6, 0),
        "after block 29": (4.2, 0),
        "probabilities": (5.6, 0),
        "attention 0<br>MLP 0": (1.85, 1),
        "attention, MLP<br>of blocks 1 to 29": (3.4, 1),
    },
    [
        ("tokens", "before block 0:<br>the embedding"),
        ("before block 0:<br>the embedding", "before block 1"),
        ("before block 1", "after block 29"),
        ("after block 29", "probabilities"),
        ("before block 0:<br>the embedding", "attention 0<br>MLP 0", "read"),
        ("attention 0<br>MLP 0", "before block 1", "add"),
        ("before block 1", "attention, MLP<br>of blocks 1 to 29", "read"),
        ("attention, MLP<br>of blocks 1 to 29", "after block 29", "add"),
    ],
    title="The residual stream: components read it and add to it",
)

# %% [markdown]
# This running sum is the **residual stream**. Nothing in it is ever overwritten. So the vector after the last
# block is a sum of 61: the embedding, 30 outputs of attention, 30 of MLPs. Is that exactly true?
#
# An **activation** is any tensor that a model computes on its way. `run_with_cache` runs the model and keeps
# its activations in a *cache*, by name: `hook_embed`, `blocks.3.hook_attn_out` and `blocks.3.hook_mlp_out`
# are what is added; `blocks.3.hook_resid_pre` and `blocks.3.hook_resid_post` are the stream before and after
# block 3.

# %%
tokens = model.to_tokens(prompt)
with torch.no_grad():
    _, cache = model.run_with_cache(tokens)
final = cache["blocks.29.hook_resid_post"]
parts = residual_parts(cache, model.cfg.n_layers)  # [part, batch, pos, d_model]
no_mlps = parts[[0, *range(1, 61, 2)]].sum(0)
print("parts:", len(parts), "| shape of each:", list(final.shape))
print(f"sum of all parts, relative error:    {(parts.sum(0) - final).norm() / final.norm():.0e}")
print(f"MLPs left out (control), the same:   {(no_mlps - final).norm() / final.norm():.1f}")

# %% [markdown]
# The sum is exact, up to the rounding of the arithmetic. The second line is a **control**: the same
# measurement where the effect should *not* be. Without the MLPs the sum is far off, so the match is not
# automatic.
#
# A full cache of a long text fills a GPU. `names_filter="blocks.3.hook_mlp_out"` keeps only what you name (a
# list or a function will do, too). `stop_at_layer=4` does not run the blocks from 4 on.

# %% tags=["numbers"]
assert len(parts) == 61 and torch.allclose(parts.sum(0), final, atol=1e-2)
assert (no_mlps - final).norm() / final.norm() > 0.5

# %% [markdown]
# ## 3. Hooks: take a component out
#
# A **hook** is a function that the model calls while it runs. It gets an activation, and `hook`, the place
# where the activation comes from. It can look. If it returns a tensor, that tensor takes the activation's
# place. For example, this hook halves what MLP 20 adds:
#
# ```python
# def halve(activation, hook):
#     return activation / 2
#
# logits = model.run_with_hooks(tokens, fwd_hooks=[("blocks.20.hook_mlp_out", halve)])
# ```
#
# `run_with_hooks` takes a list of pairs (name, function), and removes the hooks when it is done.
#
# ### Exercise 2 · zero-ablation (5 minutes, easy)
#
# To **zero-ablate** a component is to replace what it adds by zeros. Write the hook, and run the model with
# it.


# %% tags=["exercise:utils.circuits.residual.zero_ablated"]
def zero_ablated(
    model, tokens: Int[Tensor, "batch pos"], name: str
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of a run in which the activation called `name` is all zeros.

    Afterwards the model is as before: no hook stays on it.

    Args:
        name: of an activation, such as "blocks.3.hook_mlp_out".
    """
    ### BEGIN SOLUTION

    def zero(activation, hook):
        return torch.zeros_like(activation)

    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=[(name, zero)])
    ### END SOLUTION


# %% tags=["check"]
zero_ablated = lesson_00.check_zero_ablated(zero_ablated)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Change two lines of the example: what the hook returns, and the name.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.zeros_like(activation)` has the right shape, device and dtype. Return what `run_with_hooks` returns.
#
# </details>

# %%
for name in ["blocks.20.hook_mlp_out", "blocks.20.hook_attn_out"]:
    top = zero_ablated(model, tokens, name)[0, -1].softmax(-1).topk(3)
    words = [model.tokenizer.decode([i]) for i in top.indices.tolist()]
    print(f"without {name}:", list(zip(words, [f"{p:.2f}" for p in top.values], strict=True)))

# %% [markdown]
# Block 20 can lose either component, and ` Paris` still comes first. Is there any component that it cannot do
# without?

# %%
predict(
    "00.culprit",
    "Zero-ablate one component at a time, 30 attention layers and 30 MLPs. "
    "Which one costs ' Paris' most?",
    choices=[
        "an attention layer, which moves information",
        "an MLP of the first five blocks",
        "an MLP of the middle blocks",
        "an MLP of the last five blocks",
    ],
)

# %% [markdown]
# ## 4. Sweep over all components
#
# ### Exercise 3 · the sweep (10 minutes, medium)
#
# Zero-ablate every component in turn. The *damage* is how much log-probability the answer loses, in *nats*,
# the unit of natural logarithms: one nat less means a probability `2.7` times smaller. Your function gets
# several prompts of one length at a time, each with its own answer. It also gets your `zero_ablated`, as
# `ablate`.


# %% tags=["exercise:utils.circuits.residual.ablation_sweep"]
def ablation_sweep(
    model, tokens: Int[Tensor, "batch pos"], answers: Int[Tensor, " batch"], ablate
) -> Float[Tensor, "kind=2 layer batch"]:
    """What zero-ablating each component costs each prompt's answer, in nats.

    The cost is the answer's log-probability after the last token in the intact run, minus the
    same in the ablated run: positive where the ablation hurts.

    Args:
        answers: the id of each prompt's answer.
        ablate: `ablate(model, tokens, name)` gives the logits of a run without component `name`.

    Returns:
        Row 0 is attention, row 1 the MLPs: "blocks.L.hook_attn_out" and "blocks.L.hook_mlp_out".
    """
    ### BEGIN SOLUTION

    def log_prob(logits):
        return logits[:, -1].log_softmax(-1).gather(-1, answers[:, None])[:, 0]

    damage = torch.zeros(2, model.cfg.n_layers, len(tokens))
    with torch.no_grad():
        intact = log_prob(model(tokens))
        for kind, part in enumerate(["attn", "mlp"]):
            for layer in range(model.cfg.n_layers):
                logits = ablate(model, tokens, f"blocks.{layer}.hook_{part}_out")
                damage[kind, layer] = intact - log_prob(logits)
    return damage
    ### END SOLUTION


# %% tags=["check"]
ablation_sweep = lesson_00.check_ablation_sweep(ablation_sweep)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First write a small function inside: from logits to each prompt's log-probability of its answer. Use it for
# the intact run and for all ablated ones. Two loops, over kinds and layers, make the names.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `logits[:, -1].log_softmax(-1)` has the shape `[batch, d_vocab]`. From it
# `.gather(-1, answers[:, None])[:, 0]` picks one number a row.
# `damage = torch.zeros(2, model.cfg.n_layers, len(tokens))` is there to be filled.
#
# </details>

# %%
paris = model.to_single_token(" Paris")
answer = torch.tensor([paris], device=tokens.device)
damage = ablation_sweep(model, tokens, answer, zero_ablated)  # some seconds
components = [f"{kind} {layer}" for kind in ("attention", "MLP") for layer in range(30)]
worst = damage.flatten().argsort(descending=True)[:6].tolist()
plots.scatter(
    {name: (i % 30, damage.flatten()[i]) for i, name in enumerate(components)},
    named=[components[i] for i in worst[:5]],
    title="Which component does ' Paris' need most?",
    x="layer of the component that is zero-ablated",
    y="damage (nats)",
)

# %%
kind, layer = divmod(worst[0], 30)
outcome(
    "00.culprit",
    "an attention layer, which moves information"
    if kind == 0
    else "an MLP of the first five blocks"
    if layer < 5
    else "an MLP of the middle blocks"
    if layer < 25
    else "an MLP of the last five blocks",
)
plots.table(
    [(components[i], f"{damage.flatten()[i]:.1f}") for i in worst],
    columns=["component", "damage to ' Paris', nats"],
)

# %% [markdown]
# The culprit is **MLP 0**. Without it ` Paris` loses **17.3** nats: it becomes more than ten million times
# less probable. The others cost far less: **5.5** nats for MLP 11, **4.0** for attention 1. Most cost next to
# nothing, and some ablations even help.
#
# So does MLP 0 know where the Eiffel Tower stands? Before you believe it, measure its part in another way.
# The final vector is a sum, and MLP 0 added one term. Subtract that term from the final vector, leave all
# else as it was, and read off ` Paris` again.

# %% tags=["numbers"]
assert (
    components[worst[0]] == "MLP 0"
    and components[worst[1]] == "MLP 11"
    and components[worst[2]] == "attention 1"
)
claim("damage of MLP 0", damage[1, 0, 0], text=17.3, within=0.5)
claim("damage of MLP 11", damage[1, 11, 0], text=5.5, within=0.3)
claim("damage of attention 1", damage[0, 1, 0], text=4.0, within=0.3)
assert (damage.abs() < 0.5).float().mean() > 0.5 and damage.min() < -0.5
with torch.no_grad():
    assert abs(model(prompt)[0, -1].softmax(-1)[paris].item() - p_paris) < 1e-5, "a hook stayed"

# %%
predict(
    "00.direct",
    "MLP 0's vector is taken out of the final sum alone, and no later component is run again. "
    "How much does ' Paris' lose?",
    choices=["about 17 nats, as before", "about 5 nats", "less than half a nat"],
)


# %%
def log_prob_from(vector: Tensor) -> float:
    """Log-probability of ' Paris' if this were the stream after the last block."""
    with torch.no_grad():
        return (model.ln_final(vector) @ model.W_U).log_softmax(-1)[paris].item()


end = parts[:, 0, -1]  # the 61 parts at the last position
whole = log_prob_from(end.sum(0))
direct = {
    name: whole - log_prob_from(end.sum(0) - end[i]) for name, i in (("MLP 0", 2), ("MLP 28", 58))
}
plots.table(
    [
        (f"MLP {layer}", f"{direct[f'MLP {layer}']:.1f}", f"{damage[1, layer, 0]:.1f}")
        for layer in (0, 28)
    ],
    columns=["component", "taken out of the final sum, nats lost", "zero-ablated, nats lost"],
)

# %%
nats = direct["MLP 0"]
outcome(
    "00.direct",
    "less than half a nat"
    if nats < 0.5
    else "about 5 nats"
    if nats < 10
    else "about 17 nats, as before",
)

# %% [markdown]
# What MLP 0 itself adds to the last position does almost nothing for ` Paris`. Zero-ablating it is fatal
# because *all later components read the stream*, and now read one without it. The usual reading is that MLP 0
# works almost as a second embedding. With MLP 28 it is the other way round. Taking its vector out of the sum
# costs **2.1** nats, and zero-ablating it costs nothing. A likely reason is that MLP 29 reads the changed
# stream, and makes up for the loss. Lesson 1.3 comes back to that.
#
# So damage says that the answer depends on a component. It does not say what the component does.

# %% tags=["numbers"]
assert abs(direct["MLP 0"]) < 0.3
claim("direct effect of MLP 28", direct["MLP 28"], text=2.1, within=0.2)
assert damage[1, 28, 0] < 0

# %% [markdown]
# ## 5. Audit: is it about this fact?
#
# Here is a result that looks good. Without MLP 5 ` Paris` loses **2.7** nats. The same ablation costs twelve
# other prompts nothing, on average. *So MLP 5 is where the model keeps the Eiffel Tower.* Or is it?
#
# Think about how we found it. We looked at 60 components, and took the one that stands out for this prompt.
# Among 60 numbers one always stands out. What would you measure, to see whether this one means anything?
# Decide before you read on.
#
# One good answer: give every prompt the same chance. Let each in its turn be "the fact", with all the others
# as its control, and find *its* most special component. If most prompts have one that stands out as much,
# standing out is nothing special.

# %%
controls = [text for text in facts if text != prompt]
control_tokens = model.to_tokens(controls)  # 7 tokens each, so they fit into one batch
control_answers = torch.tensor(
    [model.to_single_token(facts[text]) for text in controls], device=tokens.device
)
# Some 20 seconds:
control_damage = ablation_sweep(model, control_tokens, control_answers, zero_ablated)
all_damage = torch.cat([damage, control_damage], -1).flatten(0, 1)  # [component, prompt]
print("components, prompts:", list(all_damage.shape))

# %%
predict(
    "00.excess",
    "Each of the thirteen prompts has a component that costs it more than it costs the others. "
    "How does the Eiffel Tower's excess, 2.7 nats, compare?",
    choices=["among the three largest", "in the middle", "among the three smallest"],
)

# %% [markdown]
# ### Exercise 4 · give every prompt a turn (8 minutes, medium)
#
# Write this control. `damage` has a row for each of the 60 components, and a column for each prompt.


# %% tags=["exercise:utils.circuits.residual.largest_excess"]
def largest_excess(
    damage: Float[Tensor, "component prompt"],
) -> tuple[Float[Tensor, " prompt"], Int[Tensor, " prompt"]]:
    """For each prompt, the component that costs it most in comparison with the other prompts.

    The excess of a component on a prompt is its damage there, minus its mean damage on all the
    *other* prompts.

    Returns:
        Each prompt's largest excess, and the component that has it.
    """
    ### BEGIN SOLUTION
    largest, component = [], []
    for prompt in range(damage.shape[1]):
        others = [other for other in range(damage.shape[1]) if other != prompt]
        excess = damage[:, prompt] - damage[:, others].mean(1)
        largest.append(excess.max())
        component.append(excess.argmax())
    return torch.stack(largest), torch.stack(component)
    ### END SOLUTION


# %% tags=["check"]
largest_excess = lesson_00.check_largest_excess(largest_excess)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Loop over the prompts. For each, which columns of `damage` are its control? Its own is not.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `excess = damage[:, prompt] - damage[:, others].mean(1)` has one number for each component. Keep its `max()`
# and its `argmax()`, and stack them at the end.
#
# </details>

# %%
excess, special = (torch.as_tensor(each) for each in largest_excess(all_damage))
order = excess.argsort(descending=True).tolist()
plots.table(
    [
        (
            n,
            repr(facts[[prompt, *controls][i]]),
            components[special[i]],
            f"{excess[i]:.1f}" + " (the Eiffel Tower)" * (i == 0),
        )
        for n, i in enumerate(order, 1)
    ],
    columns=["place", "answer", "most special component", "its excess, nats"],
)

# %%
place = 1 + order.index(0)
choices = ["among the three largest", "in the middle", "among the three smallest"]
outcome("00.excess", choices[(place > 3) + (place > 10)])

# %% [markdown]
# Every prompt has its "special" component, and the Eiffel Tower's takes place **11** of thirteen. Looking at
# 60 components gives an excess of this size for nearly any prompt, so it is no evidence that MLP 5 keeps this
# fact.
#
# A second test costs less: say the same in other words. What was chosen on one wording must hold on another.

# %%
wordings = {
    "The Eiffel Tower can be found in the city of": "first",
    "The Eiffel Tower was built in the city of": "first",
    "The Eiffel Tower stands in the city of": "first",
    "You can see the Eiffel Tower in the city of": "later",
    "Tourists visit the Eiffel Tower in the city of": "later",
    "We took a photo of the Eiffel Tower in the city of": "later",
    "My friends live near the Eiffel Tower in the city of": "later",
}
lost = {}
for text in wordings:
    ids = model.to_tokens(text)
    with torch.no_grad():
        intact = model(ids)[0, -1].log_softmax(-1)[paris]
    ablated = zero_ablated(model, ids, "blocks.5.hook_mlp_out")[0, -1].log_softmax(-1)[paris]
    lost[text] = float(intact - ablated)
plots.table(
    [(text, f"{nats:.1f}") for text, nats in lost.items()],
    columns=["another wording", "damage of MLP 5 to ' Paris', nats"],
)

# %% [markdown]
# MLP 5 matters where the sentence *begins* with the tower. Where other words come first, it costs at most
# **0.5** nats. What it does depends on the wording, and not on the fact alone. A single prompt would never
# have shown that.

# %% tags=["numbers"]
assert components[special[0]] == "MLP 5" and components[worst[0]] == "MLP 0"
claim("excess of MLP 5", excess[0], text=2.7, within=0.2)
assert abs(control_damage[1, 5].mean()) < 0.2
claim("place of the Eiffel Tower", place, text=11, within=0)
first, later = (
    [lost[t] for t, w in wordings.items() if w == which] for which in ("first", "later")
)
assert min(first) > 1.2 > 2 * max(later)
claim("damage of MLP 5 in other wordings", max(later), text=0.5, within=0.07)

# %% [markdown]
# ## 6. Break the answer, and mend it with one vector
#
# An ablation shows what an answer depends on. It does not show where the fact is. So go the other way: break
# the answer by changing the prompt, and look for one vector that mends it. Take two prompts that differ in
# the landmark alone, and have the same number of tokens.

# %% tags=["nbval-check-output"]
clean, corrupted = tokens, model.to_tokens("The Colosseum is located in the city of")
for position, pair in enumerate(zip(*map(model.to_str_tokens, (clean, corrupted)), strict=True)):
    print(position, *map(repr, pair))

# %% [markdown]
# After the second, *corrupted* prompt ` Rome` wins. Now run it again, and on the way replace **one single
# vector** of its residual stream, at one position before one block, by the vector that the *clean* run has at
# the same place. If ` Paris` wins again, that vector carried the city.


# %%
figures.diagram(
    {
        "clean run:<br>The Eiffel Tower ... of": (0, 1),
        "stream before block L": (2, 1),
        "' Paris'": (4, 1),
        "corrupted run:<br>The Colosseum ... of": (0, 0),
        "stream  before block L": (2, 0),
        "' Rome'": (4, 0.3),
        "or ' Paris'?": (4, -0.3),
    },
    [
        ("clean run:<br>The Eiffel Tower ... of", "stream before block L"),
        ("stream before block L", "' Paris'"),
        ("corrupted run:<br>The Colosseum ... of", "stream  before block L"),
        ("stream  before block L", "' Rome'"),
        ("stream  before block L", "or ' Paris'?"),
        ("stream before block L", "stream  before block L", "one vector, at one position"),
    ],
    title="Which vector carries the city?",
    marked=["stream  before block L"],
)

# %% [markdown]
# ### Exercise 5 · put one vector back (8 minutes, medium)
#
# This is *activation patching*, to which lesson 1.4 returns. You need both tools of this lesson: a cache of
# one run, and a hook in the other.


# %% tags=["exercise:utils.circuits.residual.put_back"]
def put_back(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    layer: int,
    position: int,
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of a run on `tokens` in which one vector comes from the run on `source`.

    It is the vector of the residual stream before block `layer`, "blocks.L.hook_resid_pre", at
    `position`. Afterwards the model is as before: no hook stays on it.
    """
    ### BEGIN SOLUTION
    name = f"blocks.{layer}.hook_resid_pre"

    def put(resid, hook):
        resid = resid.clone()
        resid[:, position] = cache[name][:, position]
        return resid

    with torch.no_grad():
        _, cache = model.run_with_cache(source, names_filter=name)
        return model.run_with_hooks(tokens, fwd_hooks=[(name, put)])
    ### END SOLUTION


# %% tags=["check"]
put_back = lesson_00.check_put_back(put_back)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Run on `source` with `run_with_cache`, and look up the stream by its name. Then run on `tokens` with a hook
# at the *same* name.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The hook works on a copy, `resid = resid.clone()`. Positions are the second axis:
# `resid[:, position] = ...`. It must `return` the copy.
#
# </details>

# %%
tries = []


def attempt(layer: int, position: int) -> None:
    """One try: puts the clean vector back, and prints who wins."""
    tries.append((layer, position))
    p = put_back(model, corrupted, clean, layer, position)[0, -1].softmax(-1)
    first = model.tokenizer.decode([int(p.argmax())])
    scores = ", ".join(f"'{w}' {p[model.to_single_token(w)]:.2f}" for w in (" Paris", " Rome"))
    print(f"try {len(tries)}: block {layer}, position {position}: {scores}; first: {first!r}")


attempt(layer=10, position=1)  # a control: ' The' stands in both prompts

# %% [markdown]
# ### Investigation · where does the city travel? (8 minutes, medium)
#
# There are 30 blocks and 10 positions, 300 vectors to put back. You have **twelve tries** with `attempt`.
# Find out
#
# 1. which position of the landmark's name carries the city: put back before block 10, its vector makes
#    ` Paris` the first choice;
# 2. the *last* layer at which this position still does it;
# 3. the *first* layer at which the last position, 10, does it.
#
# Answer with three numbers: `(position, last layer, first layer)`. At both layers ` Paris` must come first.
# One layer after the last it no longer does, and one layer before the first it does not yet.

# %%
attempt(layer=10, position=2)  # change these, and run again

# %% tags=["answer:handover"]
### BEGIN SOLUTION
handover = (3, 23, 24)
### END SOLUTION

# %% tags=["check"]
handover = lesson_00.check_handover(handover)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The prompts differ at positions 2, 3 and 4 only: three tries decide the first question.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Do not walk up layer by layer. Try the middle of what is left, and keep the half in which the answer must
# change: 30 layers take five tries. The third answer is easier to find when you have the second.
#
# </details>

# %% [markdown]
# Here is every layer at two positions: the one that you found, and the last.

# %%
position, last, first = handover
rome = model.to_single_token(" Rome")
mended = {"the landmark's position": position, "the last position": 10}
for name, at in mended.items():
    logits = [put_back(model, corrupted, clean, layer, at)[0, -1] for layer in range(30)]
    mended[name] = [float(row[paris] - row[rome]) for row in logits]
plots.lines(
    mended,
    title="Where does one vector bring ' Paris' back?",
    x="layer before which the clean vector is put back",
    y="logit of ' Paris' minus ' Rome'",
    chance=0,
)

# %% [markdown]
# For more than twenty blocks, *one* of the eleven vectors is enough to decide between the two cities: the one
# at ` iffel`. Then, within block 23, the city passes to the last position. Before block 23 the last
# position's vector changes nothing, and before block 24 it is enough.
#
# Two controls. Does the vector carry a *city*, or does it only disturb ` Rome`? Then a vector from a third
# prompt should bring a third city. And is block 23 a matter of this one pair? Then other pairs should differ.

# %%
gate = model.to_tokens("The Brandenburg Gate is located in the city of")
p = put_back(model, corrupted, gate, last, position)[0, -1].softmax(-1)
print("from the Brandenburg Gate's run:", repr(model.tokenizer.decode([int(p.argmax())])))

capitals = {"Italy": "Rome", "France": "Paris", "Japan": "Tokyo", "Germany": "Berlin"}
capitals |= {"Russia": "Moscow", "England": "London", "China": "Beijing", "Greece": "Athens"}
capitals |= {"Austria": "Vienna", "Ireland": "Dublin", "Cuba": "Havana", "Kenya": "Nairobi"}
pairs = model.to_tokens([f"The capital city of {country} is" for country in capitals])
own = torch.tensor([model.to_single_token(f" {city}") for city in capitals.values()])
rows, other = range(12), own.roll(1)  # each run gets a vector from its neighbour's run
counts = []
for layer in range(last - 1, last + 3):
    n_won = []
    for at in (5, 6):  # the country, and the last position
        logits = put_back(model, pairs, pairs.roll(1, 0), layer, at)[:, -1]
        n_won.append(int((logits[rows, other] > logits[rows, own]).sum()))
    counts.append((layer, *n_won))
plots.table(
    counts,
    columns=[
        "layer",
        "pairs of 12 mended at the country",
        "pairs of 12 mended at the last position",
    ],
)

# %% [markdown]
# The third landmark brings ` Berlin`. And in all **12** pairs of capitals, with other words and another
# length, the city moves in block 23 as well. So this is not a matter of one pair: we found it on two
# landmarks, and confirmed it on twelve capitals. Attention is what moves information between positions, so
# the attention of block 23 is the suspect. Lesson 1.3 meets it again.
#
# Compare the two methods. In the sweep attention 23 was one of many small bumps, and the largest damage, that
# of MLP 0, was not about Paris. Which components an answer depends on is one question. Which vector carries
# it is another.

# %% tags=["numbers"]
switch = [value > 0 for value in mended["the landmark's position"]]
assert switch[3:24] == [True] * 21 and not any(switch[24:])
assert [value > 0 for value in mended["the last position"]] == [False] * 24 + [True] * 6
for at in (2, 4):
    assert int(put_back(model, corrupted, clean, 10, at)[0, -1].argmax()) != paris
for layer, at, wins in (
    (10, 3, True),
    (23, 3, True),
    (24, 3, False),
    (23, 10, False),
    (24, 10, True),
):
    assert (int(put_back(model, corrupted, clean, layer, at)[0, -1].argmax()) == paris) == wins
assert (position, last, first) == (3, 23, 24)
assert model.tokenizer.decode([int(p.argmax())]) == " Berlin"
assert counts == [(22, 12, 0), (23, 12, 0), (24, 0, 12), (25, 0, 12)]
claim("pairs mended", counts[1][1], text=12, within=0)

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "sum of the 61 parts, relative error",
            f"{(parts.sum(0) - final).norm() / final.norm():.0e}",
            f"{(no_mlps - final).norm() / final.norm():.1f} without the MLPs",
            "exact by construction (Elhage et al., 2021)",
        ),
        (
            "damage of MLP 0 to ' Paris', nats",
            f"{damage[1, 0, 0]:.1f}",
            f"{control_damage[1, 0].mean():.1f}, mean of 12 other prompts",
            "-",
        ),
        (
            "the same, taken out of the final sum alone",
            f"{direct['MLP 0']:.1f}",
            f"{direct['MLP 28']:.1f} for MLP 28",
            "-",
        ),
        (
            "excess of MLP 5, nats",
            f"{excess[0]:.1f}",
            f"{excess[1:].median():.1f}, median of the other prompts' largest",
            "-",
        ),
        (
            "one vector at ' iffel', before block 23",
            "' Paris' first",
            "' Rome' first, with the vector of ' The'",
            "middle layers at the subject's last token, GPT-2 XL (Meng et al., 2022)",
        ),
        (
            "block in which the city moves to the last position",
            last,
            "12 of 12 pairs of capitals agree",
            "late layers, GPT-2 XL (the same)",
        ),
    ],
    columns=["SmolLM2-135M-Instruct, de-quantised", "measured", "control", "published"],
)

# %% [markdown]
# ## Going deeper: what would it say if it stopped here?
#
# *About 15 minutes.* After the last block the model turns the stream into logits in two steps: a final
# normalisation, `model.ln_final`, and a multiplication by the *unembedding* matrix `model.W_U`. But the
# stream has the same shape after every block. Apply both steps early, and you read what the model would say
# if it stopped there. This is the **logit lens** (nostalgebraist, 2020).
#
# ### Exercise 6 · the logit lens (10 minutes, medium)


# %% tags=["exercise:utils.circuits.residual.logit_lens"]
def logit_lens(model, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer batch d_vocab"]:
    """After each block, the logits at the last position if the model stopped there.

    Source: nostalgebraist's logit lens (2020). TransformerLens has more of it, with ranks and
    entropies, as `transformer_lens.tools.analysis.logit_lens`.

    Args:
        model: the stream after block L is "blocks.L.hook_resid_post"; `model.ln_final` and then
            `model.W_U`, [d_model, d_vocab], make logits of it.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        logits = []
        for layer in range(model.cfg.n_layers):
            resid = cache[f"blocks.{layer}.hook_resid_post"][:, -1]
            logits.append(model.ln_final(resid) @ model.W_U)
    return torch.stack(logits)
    ### END SOLUTION


# %% tags=["check"]
logit_lens = lesson_00.check_logit_lens(logit_lens)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# One run with a cache has all you need. Loop over the layers, and take the last position of each stream.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `resid = cache[f"blocks.{layer}.hook_resid_post"][:, -1]` has the shape `[batch, d_model]`. Normalise it,
# multiply by `W_U`, and stack the results of all layers.
#
# </details>


# %%
def ranks(tokens: Tensor, answers: Tensor) -> Tensor:
    """The answer's rank in the vocabulary after each block, 1 for the first: [layer, batch]."""
    logits = logit_lens(model, tokens)
    own = logits.gather(-1, answers[None, :, None].expand(len(logits), -1, -1))
    return 1 + (logits > own).sum(-1)


lens = torch.cat([ranks(tokens, answer), ranks(control_tokens, control_answers)], 1).float()
strangers = ranks(control_tokens, control_answers.roll(6)).float()  # another prompt's answer
plots.lines(
    {
        "' Paris'": lens[:, 0].tolist(),
        "median of all 13 answers": lens.median(1).values.tolist(),
        "median of another prompt's answer (control)": strangers.median(1).values.tolist(),
    },
    title="After which block does the answer come first?",
    x="after block",
    y="rank (1 is first)",
    log_y=True,
)

# %%
top_100 = [int((lens[:, i] <= 100).nonzero()[0]) for i in range(13)]
top_1 = [int((lens[:, i] <= 1).nonzero()[0]) for i in range(13)]
for what, blocks in (("first 100", top_100), ("first", top_1)):
    middle = sorted(blocks)[6]
    print(f"among the {what}: after block {middle} (median), {min(blocks)} to {max(blocks)}")

# %% [markdown]
# For most of the way the answers are nowhere. They climb from block 23 on, where the city reached the last
# position in section 6. The median answer comes first after block **29**, the last. The control, the answer
# of another prompt, hardly climbs.
#
# **What this does not show.** A rank in the thousands does not mean that the model does not know yet: section
# 6 found the city in the stream long before. The lens reads early layers in the language of the last one. The
# *tuned lens* (Belrose et al., 2023, arXiv 2303.08112) trains a translator for each layer, and finds
# predictions earlier. The probes of lesson 2.1 go further. TransformerLens has a lens with more to it:
# `transformer_lens.tools.analysis.logit_lens`.

# %% tags=["numbers"]
assert lens[:22].median(1).values.min() > 1000
assert min(top_100) >= 21 and all(lens[-1] == 1)
assert strangers[-1].median() > 300
claim("median block after which the answer comes first", sorted(top_1)[6], text=29, within=0)

# %% [markdown]
# ## Going deeper: the first position
#
# *About 15 minutes.* MLP 11 came second in the sweep, and it hurts the other prompts as well. Why? First look
# at how long the vectors of the residual stream are, at the first position and at the others. Three runs:
# with `<|im_start|>` in front, with `<|endoftext|>`, which stood between the documents of the training text,
# and with nothing.


# %%
bare = model.to_tokens(prompt, prepend_bos=False)


def after(prefix: str) -> Tensor:
    """The prompt's tokens after those of `prefix`, [1, pos]."""
    return torch.cat([model.to_tokens(prefix, prepend_bos=False), bare], 1) if prefix else bare


def stream_after(tokens: Tensor) -> Tensor:
    """The stream after every block, [layer, pos, d_model]."""
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=lambda n: n.endswith("resid_post"))
    return torch.stack([cache[f"blocks.{layer}.hook_resid_post"][0] for layer in range(30)])


prefixes = {"<|im_start|>": "<|im_start|>", "<|endoftext|>": "<|endoftext|>", "no BOS": ""}
streams = {name: stream_after(after(prefix)) for name, prefix in prefixes.items()}
norms = {f"position 0, {name}": s[:, 0].norm(dim=-1).tolist() for name, s in streams.items()}
usual = streams["<|im_start|>"][:, 1:].norm(dim=-1).median(1).values
plots.lines(
    norms | {"median of the other positions": usual.tolist()},
    title="How long is the vector at each position?",
    x="after block",
    y="length of the vector",
    log_y=True,
)

# %% [markdown]
# At block 11 the first vector explodes: its length is about **25,000**, where the others have **170**. These
# are *massive activations* (Sun et al., 2024). It happens with either BOS, and with none: then the word `The`
# stands first. It is the position that matters. Is it the word?

# %%
starts = ["The", "Paris", "Once", "cat", "def", "12", ","]
found = []
for start in starts:
    ids = model.to_tokens(f"{start} of the city and the river in winter", prepend_bos=False)
    vector = stream_after(ids)[15, 0]
    top = vector.abs().topk(3).indices.tolist()
    share = vector[top].square().sum() / vector.square().sum()
    found.append((start, f"{vector.norm():,.0f}", top, f"{share:.1%}"))
plots.table(
    found,
    columns=[
        "first word",
        "length",
        "three largest coordinates",
        "their part of the squared length",
    ],
)

# %% [markdown]
# Whatever stands first gets the same three coordinates of 576: number 507 by far, then 247 and 14. The usual
# explanation: attention weights must sum to one, so a head with nothing to do has to look somewhere. The
# first position is that place, an *attention sink* (Xiao et al., 2023).
#
# Now ablate MLP 11 at the first position alone, and at all others alone.


# %%
def cost_of_mlp_11(positions: slice) -> float:
    """Damage to ' Paris', in nats, of zeros at some positions of what MLP 11 adds."""

    def zero(activation, hook):
        activation = activation.clone()
        activation[:, positions] = 0
        return activation

    with torch.no_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[("blocks.11.hook_mlp_out", zero)])
    return whole - float(logits[0, -1].log_softmax(-1)[paris])


sink = {"position 0": cost_of_mlp_11(slice(0, 1)), "all others": cost_of_mlp_11(slice(1, None))}
with torch.no_grad():
    keep = [f"blocks.{layer}.attn.hook_pattern" for layer in range(30)]
    _, patterns = model.run_with_cache(tokens, names_filter=keep)
to_first = torch.stack([patterns[name][0, :, 1:, 0] for name in keep]).mean().item()
even = sum(1 / (q + 1) for q in range(1, 11)) / 10  # if each spread its attention evenly
print({where: round(nats, 1) for where, nats in sink.items()})
print(f"attention to position 0: {to_first:.2f}; an even spread would send {even:.2f}")

# %% [markdown]
# Nearly all of MLP 11's damage comes from position 0: **5.6** nats there, and **0.6** at the ten other
# positions together. It writes the massive activation at the position to which **63%** of all attention goes.
# Its damage says nothing about Paris.
#
# ### Which BOS?
#
# `<|im_start|>` is more than a beginning. In chats it opens a turn, and the name of the speaker comes next:
# `<|im_start|>user`, then a new line. Here it is followed by a sentence. Is that why ` Paris` gets no more
# than **0.30**? Compare four prefixes, on our first prompt, and on 19 others that we have used.


# %%
known = facts | {f"The capital city of {c} is": f" {city}" for c, city in capitals.items()}
several = [text for text in known if text != prompt]


def after_prefix(prefix: str) -> Tensor:
    """Log-probabilities of the 20 answers after `prefix`, ' Paris' first."""
    found = []
    for texts in ([prompt], several):
        ids = model.to_tokens([prefix + text for text in texts], prepend_bos=False)
        with torch.no_grad():
            log_probs = model(ids)[:, -1].log_softmax(-1)
        right = [model.to_single_token(known[text]) for text in texts]
        found += [row[i] for row, i in zip(log_probs, right, strict=True)]
    return torch.stack(found).cpu()


scores = {p: after_prefix(p) for p in ("<|im_start|>", "<|endoftext|>", "", "<|im_start|>user\n")}
gains = {p: score[1:] - scores["<|im_start|>"][1:] for p, score in scores.items()}
intervals = {p: bootstrap(gain) for p, gain in gains.items()}
plots.table(
    [
        (
            repr(p),
            f"{scores[p][0].exp():.2f}",
            f"{gains[p].mean():+.2f}",
            f"{low:+.2f} to {high:+.2f}",
        )
        for p, (low, high) in intervals.items()
    ],
    columns=[
        "prefix",
        "P(' Paris')",
        "19 other answers: gain over <|im_start|>, nats",
        "95% interval",
    ],
)

# %% [markdown]
# ` Paris` tells a clear story. After `<|endoftext|>` it gets **0.75**, after a complete `<|im_start|>user`
# line **0.70**, with no BOS as well. A turn that is opened without a speaker would then be a bad start. But
# that is *one prompt*. Over the other 19 neither of the first two is better than `<|im_start|>`: the
# intervals reach to both sides of zero. Only the run without BOS gains a little, **0.2** nats. And the
# prompts were kept because they work after `<|im_start|>`, which favours it. So we cannot say that a chat
# marker harms in general.
#
# Any of these prefixes can be used. What must not happen is to mix them: with BOS and without, activations
# differ at every position, and are shifted by one. **This course uses TransformerLens's default,
# `<|im_start|>`, and leaves position 0 out of averages.**

# %% tags=["numbers"]
claim(
    "length at position 0 after block 15",
    norms["position 0, <|im_start|>"][15],
    text=25000,
    within=1500,
)
claim("median length of the others", usual[15], text=170, within=15)
for name in norms:
    assert norms[name][10] < 1000 < 15000 < norms[name][11], name
assert [row[2] for row in found] == [[507, 247, 14]] * len(starts)
claim("cost of MLP 11 at position 0", sink["position 0"], text=5.6, within=0.3)
claim("cost of MLP 11 at the others", sink["all others"], text=0.6, within=0.09)
claim("percent of attention on position 0", 100 * to_first, text=63, within=3)
assert even < to_first and control_damage[1, 11].mean() > 5
with torch.no_grad():
    off = [("blocks.11.hook_mlp_out", lambda x, hook: torch.zeros_like(x))]
    with model.hooks(fwd_hooks=off):
        assert stream_after(tokens)[15, 0].norm() < 1000, "MLP 11 writes the massive activation"
user = "<|im_start|>user\n"
claim("P(' Paris') after <|endoftext|>", scores["<|endoftext|>"][0].exp(), text=0.75, within=0.04)
claim("P(' Paris') after <|im_start|>", scores["<|im_start|>"][0].exp(), text=0.30, within=0.03)
claim("P(' Paris') after a user line", scores[user][0].exp(), text=0.70, within=0.05)
assert abs(scores[""][0].exp() - 0.70) < 0.05
for p in ("<|endoftext|>", user):
    assert intervals[p].low < 0 < intervals[p].high
assert intervals[""].low > 0
claim("gain without BOS", gains[""].mean(), text=0.2, within=0.03)

# %% tags=["numbers"]
# For the first question below.
standard = []
for i in range(13):
    others = all_damage[:, [j for j in range(13) if j != i]]
    standard.append(((all_damage[:, i] - others.mean(1)) / others.std(1)).max())
claim("place by spread", 1 + sum(each > standard[0] for each in standard), text=2, within=0)

# %% [markdown]
# ## Questions to discuss
#
# 1. Divide each excess of section 5 by the component's spread over the other prompts. The Eiffel Tower moves
#    up to place **2** of thirteen, with another component. Which statistic do you trust, and when should you
#    have chosen it?
# 2. Attention 23 is not among the six worst in the sweep, and yet the city passes through block 23. How can
#    both be true?
# 3. Meng et al. find facts at the *last* token of the subject, and here it is ` iffel`, and not ` Tower`.
#    What do the two prompts have at these places, and what would you run to find out?
# 4. The vector at ` iffel` mends ` Paris` even before block 0. What does it carry there, and what after block
#    10?
# 5. How would you tell *not known yet* from *known, in another language*, where the lens shows a rank in the
#    thousands?
#
# ## Common mistakes
#
# - Asking for `Paris` where the model would write ` Paris`.
# - Mixing a cache with BOS and one without: everything is off by one.
# - A hook that forgets to `return`: nothing changes, and nothing complains.
# - A hook that changes its activation in place, where the same tensor is also in a cache.
# - Averaging over positions with the first one among them, which is a hundred times longer.
#
# ## Where this breaks
#
# Thirteen prompts, all of which work, are not the model's knowledge. Zeros are something that no component
# ever writes, so zero-ablation puts the model into a state that it has never seen; lesson 1.1 ablates to the
# mean instead. Not every model has massive activations, and not every tokenizer leaves BOS out: check, it
# takes two lines.
#
# ## Further reading
#
# - Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*: the residual stream
# - nostalgebraist (2020), *interpreting GPT: the logit lens*; Belrose et al. (2023), *Eliciting Latent
#   Predictions from Transformers with the Tuned Lens*, arXiv 2303.08112
# - Meng et al. (2022), *Locating and Editing Factual Associations in GPT*, arXiv 2202.05262: facts, mended by
#   patches, in a larger model
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
