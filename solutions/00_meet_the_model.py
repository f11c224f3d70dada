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
# 3. test whether a striking result is about the fact that you asked for.
#
# **Time** 60 minutes, and 45 minutes of Going deeper. **Needs** Python, some PyTorch, and a rough idea of a
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
from utils.circuits.residual import answer_log_probs, residual_parts
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap

model = load().requires_grad_(False)  # no gradients are needed
prompt = "The Eiffel Tower is located in the city of"
figures.next_token_bars(model, prompt)

# %%
figures.next_token_bars(model, "Once upon a time there was a little")  # your own text

# %% [markdown]
# **Play for a minute.** Change the text in the last cell and run it again. Try your own town, a nursery
# rhyme, a half sentence in another language. What does the model know, and where does it fail?
#
# What you see is all that a language model gives: for each of the 49,152 *tokens* of its vocabulary, the
# probability that it comes next. A token is a piece of text, often a word with the space before it.
#
# The model is **SmolLM2-135M-Instruct**, trained on two trillion tokens and then tuned to chat. Its weights
# come from a *quantised* copy of 4-bit integers (8-bit for the embedding), turned back into ordinary
# floating-point numbers. It runs in *TransformerLens*, a library that opens models to inspection.
#
# **How a lesson works.** In a *Predict* box you commit to an answer before you see the result. An *exercise*
# is a function with an empty body: fill it in, run its check, and open a hint when you are stuck. The lesson
# goes on with your function if it is right, and with the course's otherwise. An *investigation* asks for an
# answer that you find yourself. Numbers in **bold** were measured on this model. Code that you may skip is
# folded, and sections called "Going deeper" are optional.

# %% [markdown]
# ## 1. Tokens, and one too many
#
# The model never sees letters. A *tokenizer* cuts the text into tokens and gives the model their numbers,
# their *ids*:

# %% tags=["nbval-check-output"]
for text in ["Paris paris PARIS", "12345 + 678", "Ouagadougou"]:
    print(model.to_str_tokens(text, prepend_bos=False))
print(model.to_str_tokens(prompt))

# %% [markdown]
# - **Mind the space.** ` Paris` and `Paris` are different tokens. Inside a sentence the model writes the one
#   with the space, so ask for that one.
# - **Count tokens, not words.** A rare word is several tokens, and each digit is one.
# - **Say whether there is a BOS.** The last line starts with `<|im_start|>`, which you did not write. It is
#   this model's *beginning of sequence* token, BOS, at position 0. TransformerLens puts it in front, unless
#   you say `prepend_bos=False`. If a position is ever off by one, check this first. It changes answers, too:
#   ` Paris` gets **0.30** with BOS, and **0.70** without. On other prompts it matters little (see Going
#   deeper), so the course keeps the library's default.
#
# From ids the model computes *logits*: for each position, a score for each token of the vocabulary. The
# scores at a position are about the token *after* it. `softmax` turns them into probabilities.

# %%
tokens = model.to_tokens(prompt)  # ids, with BOS in front
logits = model(tokens)
p = logits[0, -1].softmax(-1)  # at the last position: what comes next
paris = model.to_single_token(" Paris")
print(
    "ids:", list(tokens.shape), "| logits:", list(logits.shape), "| P(' Paris'):", f"{p[paris]:.2f}"
)

# %% tags=["numbers"]
with torch.no_grad():
    bare = model.to_tokens(prompt, prepend_bos=False)
    p_bare = model(bare)[0, -1].softmax(-1)[paris].item()
claim("P(' Paris')", p[paris].item(), text=0.30, within=0.03)
claim("P(' Paris') without BOS", p_bare, text=0.70, within=0.05)

# %% [markdown]
# ## 2. The residual stream is a sum
#
# What happens in between? Each token becomes a vector of 576 numbers, its *embedding*. The model is a row of
# 30 *blocks*. Each has two *components*: an attention layer, which moves information between positions, and
# then an MLP, which works on each position alone. A component reads the vector, and *adds* its output to it.

# %%
figures.residual_stream()

# %% [markdown]
# This running sum is the **residual stream**. So the final vector, after block 29, should be a sum of 61
# parts: the embedding, then attention 0, MLP 0, attention 1, MLP 1, and so on. Test it. `run_with_cache`
# keeps every *activation*, that is, every tensor computed on the way, by its name. What components add is
# called `blocks.3.hook_attn_out` and `blocks.3.hook_mlp_out`. The stream before and after block 3 is
# `blocks.3.hook_resid_pre` and `blocks.3.hook_resid_post`.

# %%
_, cache = model.run_with_cache(tokens)
final = cache["blocks.29.hook_resid_post"][0, -1]  # at the last position, [576]
parts = residual_parts(cache, model.cfg.n_layers)[:, 0, -1]  # [61, 576], in the order above
left_out = 41  # try others, from 0 to 60
rest = parts.sum(0) - parts[left_out]
print(f"all 61 parts, relative error:  {(parts.sum(0) - final).norm() / final.norm():.0e}")
print(f"without part {left_out} (a control):   {(rest - final).norm() / final.norm():.0e}")

# %% [markdown]
# The sum is exact, up to rounding. The second line is a **control**: it should fail, and does.

# %% tags=["numbers"]
assert len(parts) == 61 and (parts.sum(0) - final).norm() / final.norm() < 1e-5
assert (parts.norm(dim=-1) / final.norm()).min() > 1e-3

# %% [markdown]
# ## 3. Hooks: take a component out
#
# A **hook** is a function that the model calls while it runs. It gets an activation, and `hook`, the place
# where the activation comes from. If it returns a tensor, that tensor takes the activation's place. This one
# halves what MLP 20 adds:
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
# ### Exercise 1 · zero-ablation (5 minutes, easy)
#
# To **zero-ablate** a component is to replace what it adds by zeros, at every position. Write the hook, and
# run the model with it. (`Float[Tensor, "batch pos d_vocab"]` names a tensor's axes, as a note to readers.)


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
for name in ["blocks.20.hook_attn_out", "blocks.20.hook_mlp_out"]:  # try others
    top = zero_ablated(model, tokens, name)[0, -1].softmax(-1).topk(3)
    words = [model.tokenizer.decode([i]) for i in top.indices.tolist()]
    print(f"without {name}:", list(zip(words, [f"{p:.2f}" for p in top.values], strict=True)))

# %% [markdown]
# Block 20 can lose either component, and ` Paris` still comes first. Without MLP 20 it even *gains*: some
# components hurt this answer. Is there any that ` Paris` cannot do without?

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
# ### Exercise 2 · sweep over all components (9 minutes, medium)
#
# Zero-ablate every component in turn. The *damage* is the log-probability that the answer loses. It is
# measured in *nats*: one nat less means a probability `2.7` times smaller. Your function gets a batch of
# prompts, each with its own answer, and `ablate`, which is your `zero_ablated`.
# `answer_log_probs(logits, answers)` is given: it looks up the log-probability of each prompt's answer at the
# last position, and returns a tensor of shape `[batch]`.


# %% tags=["exercise:utils.circuits.residual.ablation_sweep"]
def ablation_sweep(
    model, tokens: Int[Tensor, "batch pos"], answers: Int[Tensor, " batch"], ablate
) -> Float[Tensor, "kind=2 layer batch"]:
    """What zero-ablating each component costs each prompt's answer, in nats.

    The cost is the answer's log-probability in the intact run, minus the same in the ablated run:
    positive where the ablation hurts.

    Args:
        answers: the id of each prompt's answer, as `answer_log_probs(logits, answers)` takes them.
        ablate: `ablate(model, tokens, name)` gives the logits of a run without component `name`.

    Returns:
        Row 0 is attention, row 1 the MLPs: "blocks.L.hook_attn_out" and "blocks.L.hook_mlp_out".
    """
    ### BEGIN SOLUTION
    damage = torch.zeros(2, model.cfg.n_layers, len(tokens))
    with torch.no_grad():
        intact = answer_log_probs(model(tokens), answers)
        for kind, part in enumerate(["attn", "mlp"]):
            for layer in range(model.cfg.n_layers):
                logits = ablate(model, tokens, f"blocks.{layer}.hook_{part}_out")
                damage[kind, layer] = intact - answer_log_probs(logits, answers)
    return damage
    ### END SOLUTION


# %% tags=["check"]
ablation_sweep = lesson_00.check_ablation_sweep(ablation_sweep)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# One intact run, and then two loops, over kinds and layers, in which an f-string makes the names. For
# example, `f"blocks.{layer}.hook_mlp_out"`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `damage = torch.zeros(2, model.cfg.n_layers, len(tokens))` is there to be filled: `damage[kind, layer]` has
# the shape `[batch]`, as `answer_log_probs` returns.
#
# </details>

# %% tags=["folded"]
# Your sweep on the first prompt: the damage of each component.
right = torch.tensor([paris], device=tokens.device)
damage = ablation_sweep(model, tokens, right, zero_ablated)  # some seconds
# In the order of the parts: attention 0, MLP 0, attention 1, ...
components = [f"{kind} {layer}" for layer in range(30) for kind in ("attention", "MLP")]
on_paris = damage[:, :, 0].T.flatten()
worst = on_paris.argsort(descending=True)[:6].tolist()
plots.scatter(
    {name: (i // 2, on_paris[i]) for i, name in enumerate(components)},
    named=[components[i] for i in worst[:5]],
    title="Which component does ' Paris' need most?",
    x="layer of the component that is zero-ablated",
    y="damage (nats)",
)

# %% tags=["folded"]
# Your prediction, held against the sweep.
kind, layer = components[worst[0]].split()
moves = kind == "attention"
outcome(
    "00.culprit",
    "an attention layer, which moves information"
    if moves
    else "an MLP of the first five blocks"
    if int(layer) < 5
    else "an MLP of the middle blocks"
    if int(layer) < 25
    else "an MLP of the last five blocks",
)

# %% [markdown]
# The culprit is **MLP 0**. Without it ` Paris` loses **17.3** nats: it becomes more than ten million times
# less probable. Most components cost next to nothing.

# %% tags=["numbers"]
assert [components[i] for i in worst[:3]] == ["MLP 0", "MLP 11", "attention 1"]
claim("damage of MLP 0", damage[1, 0, 0], text=17.3, within=0.5)
assert (damage.abs() < 0.5).float().mean() > 0.5 and damage.min() < -0.5
with torch.no_grad():
    assert torch.allclose(model(tokens), logits, atol=1e-4), "a hook stayed"

# %% [markdown]
# ## 4. Audit: what does the damage mean?
#
# Is MLP 0 the place where the model keeps the Eiffel Tower? Two controls. The first: the same sweep on twelve
# other prompts. They were kept from more than a hundred, because the model gets them right and because they
# have seven tokens each, which fit into one batch. It takes some 20 seconds.

# %%
facts = {
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
other_tokens = model.to_tokens(list(facts))
other_answers = torch.tensor([model.to_single_token(answer) for answer in facts.values()])
other_answers = other_answers.to(tokens.device)
print("right:", int((model(other_tokens)[:, -1].argmax(-1) == other_answers).sum()), "of 12")
other_damage = ablation_sweep(model, other_tokens, other_answers, zero_ablated)
all_damage = torch.cat([damage, other_damage], -1).transpose(0, 1).flatten(0, 1)
plots.table(
    [(components[i], f"{all_damage[i, 0]:.1f}", f"{all_damage[i, 1:].mean():z.1f}") for i in worst],
    columns=["zero-ablated", "damage to ' Paris', nats", "mean of the other 12, nats"],
)

# %% [markdown]
# MLP 0 costs the others **15.9** nats on average, nearly as much.
#
# The second control asks *how* a component matters. The final vector is a sum, and each component added one
# part of it. Subtract that part from the final vector, and see what ` Paris` loses. No component is run
# again. This is the part's *direct effect*.
#
# ### Exercise 3 · direct effects (9 minutes, medium)
#
# Measure it for each of the 61 `parts` of section 2. A final vector becomes logits in two steps: a
# normalisation, `model.ln_final`, and a product with the *unembedding* matrix, `model.W_U`, which has a
# column for each token.


# %% tags=["exercise:utils.circuits.residual.direct_effects"]
def direct_effects(
    model, parts: Float[Tensor, "part d_model"], answer: int
) -> Float[Tensor, " part"]:
    """What the answer loses if one part alone is taken out of the final vector, in nats.

    The final vector is the sum of `parts`. Each part in turn is subtracted from it, and all other
    parts stay as they are. A loss is positive.

    Args:
        model: `model.ln_final(vector) @ model.W_U` turns a final vector into logits, [d_vocab].
        answer: the id of the answer's token.
    """
    ### BEGIN SOLUTION

    def log_prob(vector):
        return (model.ln_final(vector) @ model.W_U).log_softmax(-1)[answer]

    final = parts.sum(0)
    with torch.no_grad():
        return torch.stack([log_prob(final) - log_prob(final - part) for part in parts])
    ### END SOLUTION


# %% tags=["check"]
direct_effects = lesson_00.check_direct_effects(direct_effects)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First write a small function inside: from a final vector to the answer's log-probability. Use it for the
# whole sum, and for the sum without each part.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `(model.ln_final(vector) @ model.W_U).log_softmax(-1)[answer]` is one number. `torch.stack` makes a tensor
# of a list of them.
#
# </details>

# %%
predict(
    "00.direct",
    "Zero-ablated, MLP 0 costs ' Paris' 17.3 nats. "
    "How much is lost when its vector is taken out of the final sum alone?",
    choices=["about as much", "about 5 nats", "less than half a nat"],
)

# %% tags=["folded"]
# Your direct effects beside the damage.
direct = direct_effects(model, parts, paris)
plots.scatter(
    {name: (on_paris[i], direct[1 + i]) for i, name in enumerate(components)},
    named=["MLP 0", "MLP 11", "MLP 28", "MLP 29", "attention 23"],
    title="Does a component write the answer itself?",
    x="damage to ' Paris' when zero-ablated (nats)",
    y="direct effect (nats)",
)

# %% tags=["folded"]
# Your prediction, held against the effect of MLP 0.
nats = float(direct[1 + components.index("MLP 0")])
choices = ["less than half a nat", "about 5 nats", "about as much"]
outcome("00.direct", choices[(nats > 0.5) + (nats > 10)])

# %% [markdown]
# What MLP 0 adds does almost nothing for ` Paris` directly. Zero-ablating it is fatal, here and for the
# other prompts, because *all later components read the stream*, and now read one without it. A common
# reading is that MLP 0 works almost as a second embedding. MLP 28 is the opposite case. It writes for
# ` Paris`, with a direct effect of **2.1** nats, and yet zero-ablating it costs nothing. Later components can
# make up for a loss, which lesson 1.3 measures.
#
# So damage says that an answer *depends* on a component. It does not say what the component does.

# %% tags=["numbers"]
claim("mean damage of MLP 0 to the others", other_damage[1, 0].mean(), text=15.9, within=0.5)
assert abs(nats) < 0.3
claim("direct effect of MLP 28", direct[1 + components.index("MLP 28")], text=2.1, within=0.2)
assert damage[1, 28, 0] < 0

# %% [markdown]
# ## 5. Break the answer, and mend it with one vector
#
# An ablation does not show where the fact is. So break the answer by changing the prompt, and look for one
# vector that mends it. The two prompts differ in the landmark alone, and have the same number of tokens.

# %% tags=["nbval-check-output"]
clean, corrupted = tokens, model.to_tokens("The Colosseum is located in the city of")
for position, pair in enumerate(zip(*map(model.to_str_tokens, (clean, corrupted)), strict=True)):
    print(position, *map(repr, pair))

# %% [markdown]
# After the second, *corrupted* prompt ` Rome` wins. Now run it again, and replace **one single vector** of
# its residual stream, at one position before one block, by the *clean* run's vector at the same place. If
# ` Paris` wins again, that vector carried the city.

# %%
figures.one_vector_patch()

# %% [markdown]
# ### Exercise 4 · put one vector back (9 minutes, medium)
#
# This is *activation patching*, to which lesson 1.4 returns. You need a cache of one run, and a hook in the
# other. The stream before block L, `blocks.L.hook_resid_pre`, has the shape `[batch, pos, d_model]`. The hook
# must return all of it, with one position changed.


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
# The hook works on a copy, `resid = resid.clone()`. Axis 0 is the batch, and positions are axis 1:
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
# **That is the core.** You have taken components out, measured what they write, and can put one vector back. The
# investigation is its finale, for another quarter of an hour. The sections after the results stand alone.
#
# ## Going deeper: where does the city travel?
#
# ### Investigation · find its way in twelve tries (9 minutes, medium)
#
# There are 30 blocks and, BOS aside, 10 positions: 300 vectors to put back. Make do with about **twelve
# tries**, of which the control was the first. Find out
#
# 1. which position of the landmark's name carries the city: put back before block 10, its vector makes
#    ` Paris` the first choice;
# 2. the *last* layer at which this position still does it;
# 3. the *first* layer at which the last position, 10, does it.
#
# Answer with three numbers: `(position, last layer, first layer)`. At both layers ` Paris` must come first.
# The cells after the check show the answer.

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
# ### After the investigation
#
# First the position that you found, and the last one, at more layers.

# %% tags=["folded"]
# The same patch before many layers, at the two positions.
position, last, first = handover
rome = model.to_single_token(" Rome")
layers = [1, 5, 10, 15, 18, *range(20, 30)]
mended = {"the landmark's position": position, "the last position": 10}
for name, at in mended.items():
    rows = [put_back(model, corrupted, clean, layer, at)[0, -1] for layer in layers]
    mended[name] = [float(row[paris] - row[rome]) for row in rows]
plots.lines(
    mended,
    title="Where does one vector bring ' Paris' back?",
    x="layer before which the clean vector is put back",
    y="logit of ' Paris' minus ' Rome'",
    at=layers,
    chance=0,
).update_traces(mode="lines+markers")

# %% [markdown]
# Two controls. Does the vector carry a *city*, or does it only disturb ` Rome`? If it carries one, a vector
# from a third prompt should bring a third city. And does it travel in the same block for other facts? Take
# twelve capitals. Each run gets one vector from another capital's run, and is *mended* if it now prefers
# that capital to its own. (This is less than being the first choice.)

# %%
gate = model.to_tokens("The Brandenburg Gate is located in the city of")
p = put_back(model, corrupted, gate, last, position)[0, -1].softmax(-1)
print("from the Brandenburg Gate's run:", repr(model.tokenizer.decode([int(p.argmax())])))

# %% tags=["folded"]
# Twelve capitals, each patched with a vector from its neighbour's run.
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
        found = put_back(model, pairs, pairs.roll(1, 0), layer, at)[:, -1]
        n_won.append(int((found[rows, other] > found[rows, own]).sum()))
    counts.append((layer, *n_won))
plots.table(
    counts,
    columns=["before layer", "of 12 mended at the country", "of 12 mended at the last position"],
)

# %% [markdown]
# One vector of eleven, the one at `iffel`, is enough to turn ` Rome` into ` Paris`, until block 23. Before
# block 23 the last position's vector hardly moves the answer. Before block 24 it flips it. So the city passes
# to the last position within block 23. The third landmark brings ` Berlin`. In these **12** pairs of capitals
# the city moves in block 23 as well.
#
# Attention is what moves information between positions, so attention 23 is the suspect. The direct effect
# also points to it: **2.6** nats for ` Paris`, the most of all. It was not patched here (question 1). In the
# sweep it was one of many small dots.

# %% tags=["numbers"]
ours, at_last = (dict(zip(layers, values, strict=True)) for values in mended.values())
assert all((ours[layer] > 0) == (layer <= 23) for layer in layers)
assert all((at_last[layer] > 0) == (layer >= 24) for layer in layers)
assert abs(at_last[23] - at_last[1]) < 1.5 < 5 < at_last[24] - at_last[23]
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
assert components[int(direct[1:].argmax())] == "attention 23"
claim("direct effect of attention 23", direct[1:].max(), text=2.6, within=0.2)

# %% [markdown]
# ## What you found

# %% tags=["results"]
plots.table(
    [
        (
            "sum of the 61 parts, relative error",
            f"{(parts.sum(0) - final).norm() / final.norm():.0e}",
            f"{(rest - final).norm() / final.norm():.0e} without one part",
            "exact by construction (Elhage et al., 2021)",
        ),
        (
            "damage of MLP 0 to ' Paris', nats",
            f"{damage[1, 0, 0]:.1f}",
            f"{other_damage[1, 0].mean():.1f}, mean of 12 other prompts",
            "-",
        ),
        (
            "direct effect of MLP 0, nats",
            f"{nats:.1f}",
            f"{direct[1 + components.index('MLP 28')]:.1f} for MLP 28",
            "-",
        ),
        (
            "one vector at the landmark",
            f"' Paris' first, up to block {last}",
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
# *About 12 minutes.* In exercise 3 a final vector became logits in two steps. But the stream has the same
# shape after every block. Apply both steps early, and you read what the model would say if it stopped there.
# This is the **logit lens** (nostalgebraist, 2020).
#
# ### Exercise 5 · the logit lens (6 minutes, medium)


# %% tags=["exercise:utils.circuits.residual.logit_lens"]
def logit_lens(model, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer batch d_vocab"]:
    """After each block, the logits at the last position if the model stopped there.

    Source: nostalgebraist's logit lens (2020). TransformerLens has more of it, with ranks and
    entropies, as `transformer_lens.tools.analysis.logit_lens`.
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
# One run with a cache has all you need. The stream after block 3 is `blocks.3.hook_resid_post`. Loop over the
# layers, and take the last position of each.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `resid = cache[f"blocks.{layer}.hook_resid_post"][:, -1]` has the shape `[batch, d_model]`. Put it through
# `model.ln_final`, multiply by `model.W_U`, and stack the results of all layers.
#
# </details>


# %% tags=["folded"]
# The rank of each answer after each block.
def ranks(tokens: Tensor, answers: Tensor) -> Tensor:
    """The answer's rank in the vocabulary after each block, 1 for the first: [layer, batch]."""
    logits = logit_lens(model, tokens)
    own = logits.gather(-1, answers[None, :, None].expand(len(logits), -1, -1))
    return 1 + (logits > own).sum(-1)


lens = torch.cat([ranks(tokens, right), ranks(other_tokens, other_answers)], 1).float()
mixed = ranks(other_tokens, other_answers.roll(6)).float()  # another prompt's answer
plots.lines(
    {
        "' Paris'": lens[:, 0].tolist(),
        "median of all 13 answers": lens.median(1).values.tolist(),
        "median of another prompt's answer (control)": mixed.median(1).values.tolist(),
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
# For most of the way the median rank is in the thousands. The answers climb from block 23 on, where the city
# reached the last position in section 5. The median answer comes first after block **29**, the last. The
# control, the answer of another prompt, hardly climbs.
#
# **What this does not show.** A rank in the thousands does not mean that the model does not know yet: section
# 5 found the city in the stream long before, at another position. And the lens reads early layers with the
# unembedding of the last one. The *tuned lens* (Belrose et al., 2023, arXiv 2303.08112) trains a translator
# for each layer, and finds predictions earlier.

# %% tags=["numbers"]
assert lens[:22].median(1).values.min() > 1000
assert min(top_100) >= 21 and all(lens[-1] == 1)
assert mixed[-1].median() > 300
claim("median block after which the answer comes first", sorted(top_1)[6], text=29, within=0)

# %% [markdown]
# ## Going deeper: a result that looks good
#
# *About 5 minutes.* Look at MLP 5 in the first table of section 4. Without it ` Paris` loses **2.7** nats,
# and the twelve others lose nothing on average. *So MLP 5 is where the model keeps the Eiffel Tower.* What
# would you measure to test this sentence?
#
# <details><summary>One good answer, when you have your own</summary>
#
# We looked at 60 components, and took one that stands out for this prompt. Some of 60 always do. So do the
# same for every other prompt, with the remaining twelve as its control. If most prompts have a component that
# stands out as much, standing out is nothing special.
#
# </details>
#
# Call a component's *excess* on a prompt its damage there, minus its mean damage on the twelve others. The
# excess of MLP 5 on the Eiffel Tower is **2.7** nats, among the largest of the 60.

# %%
predict(
    "00.excess",
    "Each of the thirteen prompts has a component with the largest excess. "
    "How large is the Eiffel Tower's, 2.7 nats, among these thirteen?",
    choices=["among the three largest", "in the middle", "among the three smallest"],
)

# %% tags=["folded"]
# The component with the largest excess, for each of the thirteen prompts.
answers = [" Paris", *facts.values()]


def most_special(i: int) -> tuple[str, float]:
    """The component with the largest excess on prompt i, and that excess in nats."""
    others = [j for j in range(13) if j != i]
    excess = all_damage[:, i] - all_damage[:, others].mean(1)
    return components[excess.argmax()], excess.max().item()


special = sorted(
    ((*most_special(i), answer) for i, answer in enumerate(answers)), key=lambda s: -s[1]
)
plots.table(
    [(n, answer, name, f"{excess:.1f}") for n, (name, excess, answer) in enumerate(special, 1)],
    columns=["place", "answer", "its most special component", "excess, nats"],
)

# %% tags=["folded"]
# Your prediction, held against the table.
place = 1 + [answer for *_, answer in special].index(" Paris")
choices = ["among the three largest", "in the middle", "among the three smallest"]
outcome("00.excess", choices[(place > 3) + (place > 10)])

# %% [markdown]
# Every prompt has a "special" component, and the Eiffel Tower's takes place **11** of thirteen. Looking at
# 60 components gives such an excess for nearly any prompt. So it is no evidence that MLP 5 keeps this fact.

# %% tags=["numbers"]
claim("damage of MLP 5", damage[1, 5, 0], text=2.7, within=0.2)
assert "MLP 5" in [components[i] for i in worst] and abs(most_special(0)[1] - 2.7) < 0.1
assert abs(other_damage[1, 5].mean()) < 0.2
claim("place of the Eiffel Tower", place, text=11, within=0)

# %% [markdown]
# ## Going deeper: the first position
#
# *About 13 minutes.* Without MLP 11, which came second in the sweep, the other prompts lose as well. Why? First
# look at how long the vectors of the residual stream are, at the first position and at the others: with
# `<|im_start|>` in front, with `<|endoftext|>`, which stood between the documents of the training text, and
# with nothing.


# %% tags=["folded"]
# The length of the first vector and of the others, after each block.
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
# At block 11 the first vector explodes: its length is about **25,000**, where the others have **143**. These
# are *massive activations* (Sun et al., 2024). It happens with either BOS, and with none: then the word `The`
# stands first. It is the position that matters. Is it the word?

# %% tags=["folded"]
# The same for seven other first words.
starts = ["The", "Paris", "Once", "cat", "def", "7", ","]
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
intact = model(tokens)[0, -1].log_softmax(-1)[paris]


def cost_of_mlp_11(positions: slice) -> float:
    """Damage to ' Paris', in nats, of zeros at some positions of what MLP 11 adds."""

    def zero(activation, hook):
        activation = activation.clone()
        activation[:, positions] = 0
        return activation

    with torch.no_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[("blocks.11.hook_mlp_out", zero)])
    return float(intact - logits[0, -1].log_softmax(-1)[paris])


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
# positions together. This is where the vector explodes at block 11, and where **63%** of all attention goes.
# The damage says nothing about Paris.
#
# ### Which BOS?
#
# In chats `<|im_start|>` opens a turn, and the name of the speaker comes next: `<|im_start|>user`, then a new
# line. Here it is followed by a sentence. Is that why ` Paris` gets no more than **0.30**? Compare four
# prefixes, on our first prompt, and on 19 others that we have used.


# %% tags=["folded"]
# The log-probability of the 20 answers after each prefix.
known = facts | {f"The capital city of {c} is": f" {city}" for c, city in capitals.items()}
several, known[prompt] = list(known), " Paris"


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
# ` Paris` gets **0.75** after `<|endoftext|>`, and **0.70** after a complete `<|im_start|>user` line, or with
# no BOS. But that is *one prompt*. Over the other 19 neither of the first two differs reliably from
# `<|im_start|>`: the intervals reach to both sides of zero. Only the run without BOS gains a little, **0.2**
# nats. And the prompts were kept because they work after `<|im_start|>`, which favours it. The gain of
# ` Paris` without a chat marker does not carry over to the other prompts.
#
# **This course uses TransformerLens's default, `<|im_start|>`, and leaves position 0 out of averages.**

# %% tags=["numbers"]
first_norms = norms["position 0, <|im_start|>"]
claim("length at position 0 after block 11", first_norms[11], text=25000, within=1500)
claim("median length of the others", usual[11], text=143, within=7)
for name in norms:
    assert norms[name][10] < 1000 < 15000 < norms[name][11], name
assert [row[2] for row in found] == [[507, 247, 14]] * len(starts)
claim("cost of MLP 11 at position 0", sink["position 0"], text=5.6, within=0.3)
claim("cost of MLP 11 at the others", sink["all others"], text=0.6, within=0.09)
claim("percent of attention on position 0", 100 * to_first, text=63, within=3)
assert even < to_first and other_damage[1, 11].mean() > 5
user = "<|im_start|>user\n"
claim("P(' Paris') after <|endoftext|>", scores["<|endoftext|>"][0].exp(), text=0.75, within=0.04)
claim("P(' Paris') after <|im_start|>", scores["<|im_start|>"][0].exp(), text=0.30, within=0.03)
claim("P(' Paris') after a user line", scores[user][0].exp(), text=0.70, within=0.05)
assert abs(scores[""][0].exp() - 0.70) < 0.05
for p in ("<|endoftext|>", user):
    assert intervals[p].low < 0 < intervals[p].high
assert intervals[""].low > 0
claim("gain without BOS", gains[""].mean(), text=0.2, within=0.03)

# %% [markdown]
# ## Questions to discuss
#
# 1. Attention 23 is not among the six worst in the sweep, and yet the city passes through block 23. How can
#    both be true? What happens if you put back the output of attention 23 alone, at the last position?
# 2. Meng et al. find facts at the *last* token of the subject, and here it is `iffel`, and not ` Tower`.
#    What do the two prompts have at these places, and what would you run to find out?
# 3. The vector at `iffel` mends ` Paris` even before block 0. What does it carry there, and what after block
#    10?
# 4. MLP 5 matters where the sentence begins with the tower. Does it in other wordings, such as `You can see
#    the Eiffel Tower in the city of`? Use `zero_ablated` to find out.
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
