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
# # 1.2 · How induction is made
#
# [![Open lesson 1.2 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.1 · Induction heads](11_induction_heads.ipynb) | **Next:** [1.3 · Who moves the name](13_direct_logit_attribution.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/11_induction_heads.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/13_direct_logit_attribution.ipynb)
#
# **Time** 60 minutes, and 40 for *Going deeper*. **Needs** lesson 1.1: induction heads, ablation.
# **Runs** in about a minute and a half on a laptop's processor.
#
# A toy model (two layers, attention alone) was trained on sequences in which something comes twice. Below, two of its
# heads read 12 random tokens twice, here called a to l (the mean of 8 such rows). A row is a position, and bright is where
# the head looks from there. Drag the slider through the training: which token does each head learn to look at?

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
import contextlib
import io
import json
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils import plots
from utils.checks import lesson_12
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.circuits.composition import own_token_rank, removal
from utils.circuits.induction import loss_by_half, repeat_costs, repeated_tokens, stripe_scores
from utils.heads import ablated, ablation_hooks, head_name, top_heads
from utils.lesson import claim
from utils.models import load

toys = root / "data" / "induction"


def load_toy(name: str):
    """One of the toys in `data/induction`; `load` says a line for each."""
    with contextlib.redirect_stdout(io.StringIO()):
        return load(toys / name, device="cpu")


TOY = {"d_vocab": 65, "bos": 0, "n_special": 1}
letters = repeated_tokens(12, batch=8, **TOY, generator=torch.Generator().manual_seed(3))
steps, seen = [], {"L0H1": [], "L1H3": []}
for folder in sorted((toys / "two_layer").iterdir()):
    steps.append(int(folder.name.removeprefix("step_")))
    with torch.no_grad():
        _, cache = load_toy(f"two_layer/{folder.name}").run_with_cache(letters)
    for layer, h in [(0, 1), (1, 3)]:
        seen[head_name((layer, h))].append(cache["pattern", layer][:, h].mean(0))
figures.training_slider(
    {name: torch.stack(patterns) for name, patterns in seen.items()},
    steps=steps,
    tokens=["BOS", *"abcdefghijkl", *"abcdefghijkl"],
    title="Two heads in training: what do they look at?",
)

# %% [markdown]
# L0H1 looks at the token before: it is a **previous-token head**. L1H3 is an **induction head**: from the second `j` it looks
# at the first `k`, which is what came next last time. Where there is nothing to continue it looks at BOS, the bright column on the left. By the end of this lesson you can
#
# 1. read from the weights which heads can make induction together;
# 2. change one input of one layer and nothing else, and so say which head feeds which;
# 3. build the control that such a result needs.
#
# ## 1. When is it learned?
#
# *Predict first:* what does the loss on the second half do over these 4,000 steps of training?

# %%
predict(
    "12.curve",
    "Over the training, the loss on the second half falls",
    choices=[
        "in a steady slope",
        "at once, and then hardly at all",
        "slowly, then in one sudden step",
    ],
)

# %%
log = json.loads((toys / "log.json").read_text())
at, losses = log["two_layer"]["step"], log["two_layer"]["loss_repeat"]
falls = torch.tensor(losses).diff().neg()  # from each evaluation to the next
steepest = int(falls.argmax())
outcome(
    "12.curve",
    "in a steady slope"
    if falls[steepest] < 4 * falls.mean()
    else "slowly, then in one sudden step"
    if at[steepest] > 0.1 * at[-1]
    else "at once, and then hardly at all",
)
plots.lines(
    {
        "two layers": losses,
        "one layer (control)": log["one_layer"]["loss_repeat"],
    },
    at=at,
    title="What does the loss on the repeat do?",
    x="training step",
    y="loss on the repeat (nats)",
)

# %% [markdown]
# Up to step 1,000 both models go down a slope, from **4.4** to **3.3** nats. Then the two-layer model falls to **0.75** within
# 400 steps, and the one-layer model never does. Olsson and colleagues (2022) saw this **phase change** in
# language models of two and more layers, and not in models of one.
#
# How much of this was arranged? The settings of the training were tuned until the step came within minutes (`data/induction/README.md`). The
# seed was not: all three seeds that were tried show the step, between steps 1,200 and 1,700.

# %% tags=["numbers"]
loss_at = dict(zip(at, losses, strict=True))
claim("loss on the repeat at step 0", loss_at[0], text=4.4, within=0.1)
claim("loss on the repeat at step 1000", loss_at[1000], text=3.3, within=0.1)
claim("loss on the repeat at step 1400", loss_at[1400], text=0.75, within=0.05)
assert min(log["one_layer"]["loss_repeat"]) > 2.8
of_seeds = json.loads((toys / "seeds.json").read_text())
for seed in (0, 1, 2):
    change_at = of_seeds[f"two_layer, seed {seed}"]["phase_change"]
    assert 1200 <= change_at["begin"] < change_at["end"] <= 1700

# %% [markdown]
# ## 2. The hypothesis, drawn
#
# The text so far holds `j k`, and now comes `j` again. The induction head must look at `k`. But how does it find `k`,
# which is nothing like `j`?

# %%
previous, induction = (
    "previous-token head<br>at k, layer 0",
    "induction head<br>at j again, layer 1",
)
figures.diagram(
    boxes={
        "j": (0, 0),
        "k": (2, 0),
        "j again": (5, 0),
        previous: (2, 1.1),
        induction: (5, 2.2),
        "logit of k": (5, 3.2),
    },
    arrows=[
        ("j", previous, "value: I am j"),
        ("k", previous, "query"),
        (previous, induction, "KEY: j came before"),
        ("k", induction, "value: I am k"),
        ("j again", induction, "query: I am j"),
        (induction, "logit of k", "copy"),
    ],
    marked=[previous],
    title="The hypothesis: the key of k says which token came before k",
)

# %% [markdown]
# Two kinds of product of weights carry this story (Elhage and colleagues, 2021).
#
# - **QK circuit**, `W_QK = W_Q @ W_K.T`: which query likes which key. It decides where a head looks.
# - **OV circuit**, `W_OV = W_V @ W_O`: what a head does with a token that it looks at. It decides what the head writes.
#
# When a later head's key is made of what an earlier head wrote, the two **compose**: this is K-composition. The drawing
# makes two predictions that can be read from weights:
#
# 1. **Matching.** A query made of a token's embedding fits a key made of *the same* token's embedding, after the previous-token
#    head's OV circuit has moved it.
# 2. **Copying.** The OV circuit of an induction head raises the logit of the very token that it looks at.
#
# Both say: in some table [token, token], the diagonal is large. `own_token_rank(table)` scores that. It
# is the mean share of the other columns that the diagonal entry beats: `0.5` is chance, `1.0` is perfect. Below `0.5` a token
# fits itself *worse* than others. Only the order in a row counts, so the score does not depend on the table's scale.
#
# Each layer reads the stream through its norm. In a run the norm is of the whole stream. The tables norm one head's
# output by itself, which is a simplification.
#
# ### Exercise 1 · the circuit from the weights (14 minutes, medium)
#
# Score all 16 pairs of heads. You will need `model.W_E` [token, d_model], `model.W_Q[layer, head]`, `W_K` and `W_V` [d_model, d_head],
# `model.W_O[layer, head]` [d_head, d_model] and `model.W_U` [d_model, token]. Vectors are rows: `x @ W`.


# %% tags=["exercise:utils.circuits.composition.circuit_tables"]
def circuit_tables(
    model, score: Callable[[Float[Tensor, "token token"]], float]
) -> tuple[Float[Tensor, "sender reader"], Float[Tensor, " reader"]]:
    """How well each head of layer 1 matches through each head of layer 0, and how well it copies.

    From the weights alone, over the whole vocabulary: no positions, no biases, no final norm. Each
    entry is the `score` of one table, [token, token]:

    - matching: row = the current token; its normed embedding makes the query. Column = the token
      before the key; its normed embedding goes through the sender's OV circuit, is normed again,
      and makes the key.
    - copying: row = the token that is attended to; its normed embedding goes through the reader's
      OV circuit. Column = the token whose logit that raises.

    Args:
        model: two layers of attention alone, with `model.cfg.n_heads` heads in each. The norm of
            a layer has no weights: `torch.nn.functional.layer_norm(x, x.shape[-1:])`.
        score: such as `own_token_rank`.
    """
    ### BEGIN SOLUTION
    n_heads, norm = model.cfg.n_heads, torch.nn.functional.layer_norm
    matching, copying = torch.zeros(n_heads, n_heads), torch.zeros(n_heads)
    with torch.no_grad():
        embedded = norm(model.W_E, model.W_E.shape[-1:])
        for reader in range(n_heads):
            copied = embedded @ model.W_V[1, reader] @ model.W_O[1, reader] @ model.W_U
            copying[reader] = score(copied)
            queries = embedded @ model.W_Q[1, reader]
            for sender in range(n_heads):
                moved = embedded @ model.W_V[0, sender] @ model.W_O[0, sender]
                keys = norm(moved, moved.shape[-1:]) @ model.W_K[1, reader]
                matching[sender, reader] = score(queries @ keys.T)
    return matching, copying
    ### END SOLUTION


# %% tags=["check"]
circuit_tables = lesson_12.check_circuit_tables(circuit_tables)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two loops, over readers and senders. In the matching table, rows come from
# `embedded @ W_Q` of the reader. Columns come from what the sender makes of the same embeddings.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `moved = embedded @ W_V[0, sender] @ W_O[0, sender]`. Norm it, make keys with `W_K[1, reader]`, and score
# `queries @ keys.T`. Copying needs no sender: `embedded @ W_V[1, reader] @ W_O[1, reader] @ W_U`.
#
# </details>

# %%
toy = load_toy("two_layer/step_04000")
matching, copying = circuit_tables(toy, own_token_rank)
senders, readers = ([head_name((layer, h)) for h in range(4)] for layer in (0, 1))
table = torch.cat([matching, copying[None]])
plots.heatmap(
    table,
    rows=[*(f"matching through {name}" for name in senders), "copying"],
    columns=readers,
    title="Which pairs match, and which heads copy? (white is chance, 0.5)",
    x="reader",
    y="",
    signed=True,
    ends=(0, 1),
    text="values",
)

# %% [markdown]
# Matching works through L0H1, for three readers: L1H1, L1H2 and L1H3. Every other pair is near chance, or below it: there a token fits itself worse than others. Two of the three readers also copy,
# L1H2 and L1H3. So they are the candidates for induction heads. L1H1 matches and does not copy. Is it used? Weights cannot say whether a
# head is used at all. That takes a run.

# %% tags=["numbers"]
assert matching[1, 1:].min() > 0.95 and matching[[0, 2, 3]].max() < 0.6 and matching[1, 0] < 0.6
assert copying[2:].min() > 0.95 and copying[:2].max() < 0.5
for scores in circuit_tables(load_toy("two_layer/step_00000"), own_token_rank):
    assert scores.min() > 0.3 and scores.max() < 0.7, "untrained"

# %% [markdown]
# ## 3. A second score of the weights
#
# Matching scores tokens. The **K-composition score** leaves tokens out. It asks how well the earlier head's output directions fit those
# that the later head's keys read: the size of the product, divided by the sizes of its factors,
#
# `|W_QK @ W_OV.T| / (|W_QK| |W_OV|)`, where `|.|` is the Frobenius norm, the root of the sum of squares.
#
# TransformerLens has it for all pairs. The same toy before training is the baseline: random matrices of this shape
# score about **0.13**.

# %%
composition = toy.all_composition_scores("K").scores[0, :, 1].detach()
untrained = load_toy("two_layer/step_00000").all_composition_scores("K").scores[0, :, 1].detach()
plots.heatmap(
    {"trained": composition, "untrained (baseline)": untrained},
    rows=senders,
    columns=readers,
    title="K-composition: which pair has the largest entry?",
    ends=(0, 0.4),
    x="reader",
    y="sender",
    text="values",
    box=divmod(int(composition.argmax()), 4),
)

# %% [markdown]
# The largest entry is L0H3 with L1H1 (outlined). It is three times the baseline, and larger than those of L0H1 with L1H2 and L1H3.
# Matching had singled out L0H1 instead. The two scores disagree, and a run has to decide.
#
# *Predict first:* take what L0H3 writes out of all keys of layer 1. On the sequences used below (23 random tokens, then again) the loss on the
# repeat is **0.4** nats. By how much does it rise?

# %%
predict(
    "12.largest",
    "Without L0H3 in the keys of layer 1, the loss on the repeat rises by about",
    choices=["0 nats", "1 nat", "4 nats"],
)

# %% [markdown]
# Ablating the whole head would not be that test. It takes the head's output from the keys, and also from the queries, the
# values, the residual stream and every later layer. We want to change **one input of one layer**.
#
# What has to be *added* to the stream so that a head's output is gone? `removal(model, tokens, head)` is given. At each position it is
# `(z.mean((0, 1)) - z) @ W_O`, [batch, pos, d_model]: the head has then written its mean, as with your `ablation_hooks` of lesson 1.1.
#
# ### Exercise 2 · one input, and nothing else (14 minutes, medium)
#
# This is the method of the lesson, a **path patch**. Change what the *keys* of some layers are made of, and leave their queries, their values and the
# stream as they are. In TransformerBridge each of the three has an input of its own: `blocks.L.attn.k.hook_in` holds what `W_K` is applied
# to, [batch, pos, d_model]. It comes *after* the layer's norm, which is `model.blocks[L].ln1`. The change belongs to the stream *before* that
# norm, which a cache holds as `blocks.L.hook_resid_pre`.
#
# Write a function that returns hooks, each a function of `(activation, hook)` that returns the new activation. The second argument must be
# called `hook`. The model is then run under them: `with model.hooks(fwd_hooks=hooks): ...`.


# %% tags=["exercise:utils.circuits.composition.path_hooks"]
def path_hooks(
    model,
    tokens: Int[Tensor, "batch pos"],
    change: Float[Tensor, "batch pos d_model"],
    *,
    layers: Sequence[int],
    into: str = "k",
) -> list[tuple[str, Callable]]:
    """Hooks under which `layers` make their keys (or queries, or values) from a changed stream.

    For each layer: take the stream before it, `blocks.L.hook_resid_pre`, from a run on `tokens`
    without hooks. Add `change`, and apply the layer's norm, `model.blocks[L].ln1`. The result
    replaces this one input; everything else in the layer reads the stream as it comes. Use: `with
    model.hooks(fwd_hooks=path_hooks(...)): model(tokens)`.

    Path patching, after Wang et al., 2022 (arXiv 2211.00593).

    Args:
        change: what is added to the stream, such as `removal` gives.
        layers: the reading layers; all their heads read the changed stream.
        into: "q", "k" or "v".

    Returns:
        Pairs of a hook's name and its function.
    """
    ### BEGIN SOLUTION
    names = [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=names)
        changed = {
            layer: model.blocks[layer].ln1(cache[name] + change)
            for layer, name in zip(layers, names, strict=True)
        }

    def replace(activation, hook):
        return changed[hook.layer()]

    return [(f"blocks.{layer}.attn.{into}.hook_in", replace) for layer in layers]
    ### END SOLUTION


# %% tags=["check"]
path_hooks = lesson_12.check_path_hooks(path_hooks)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# First a run without hooks, which caches `blocks.L.hook_resid_pre` for every layer. Then make each layer's new input:
# add the change, and norm the sum. The hook ignores its `activation` and returns the new input.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A hook is a function of `(activation, hook)`, and `hook.layer()` is the layer at which it is called. A function made in a loop
# looks up the loop's variable when it *runs*: by then it holds the last layer.
#
# </details>

# %%
toy_tokens = repeated_tokens(23, batch=64, **TOY, generator=torch.Generator().manual_seed(5))

toy_cost, size, toy_rows = {}, {}, []
for h in range(4):
    change = removal(toy, toy_tokens, (0, h))
    size[h] = change[:, 1:].norm(dim=-1).mean().item()  # BOS aside
    hooks = [path_hooks(toy, toy_tokens, change, layers=[1], into=into) for into in "kqv"]
    costs = repeat_costs(toy, toy_tokens, hooks).mean(1).tolist()  # lesson 1.1, exercise 3
    toy_cost |= {(h, into): cost for into, cost in zip("kqv", costs, strict=True)}
    shown = [f"{cost:+.2f}" for cost in costs]
    toy_rows.append([senders[h], f"{composition[h].max():.2f}", f"{size[h]:.2g}", *shown])
toy_first, toy_loss = loss_by_half(toy(toy_tokens), toy_tokens)
others = [(1, 0), (1, 2), (1, 3)]
hooks = [ablation_hooks(toy, heads) for heads in ([(1, 1)], others, [*others, (1, 1)])]
without_reader, reader_alone, no_reader = repeat_costs(toy, toy_tokens, hooks).mean(1).tolist()
largest = toy_cost[3, "k"]
outcome("12.largest", "0 nats" if largest < 0.3 else "1 nat" if largest < 2 else "4 nats")
print(f"Intact: {toy_first:.2f} nats on the first half, {toy_loss:.2f} on the repeat.")
print(f"Added without L1H1: {without_reader:+.2f}. With L1H1 as the only head left in layer 1:")
print(f"{reader_alone:+.2f}, and with none left {no_reader:+.2f}.")
plots.table(
    toy_rows,
    columns=[
        "sender",
        "largest K-composition",
        "size of what it writes",
        "added loss: out of the keys",
        "of the queries",
        "of the values",
    ],
)

# %% [markdown]
# The pair with the largest entry does nothing that the loss shows: without L0H3 in the keys it hardly changes. Without L0H1 in the keys, and only there, it rises by
# **3.7** nats, nearly to what the first half costs. In the queries or values L0H1 is not needed; without it there
# the loss even falls a little. So on the toy the arrow marked KEY holds. The other arrows were not patched. And L1H1, which matches,
# is not used here: the loss hardly moves without it, and L1H1 alone brings nothing back.
#
# Why does so large an entry do nothing? The third column tells. L0H3 writes vectors of length **0.024**, where L0H1 writes **0.74**. The composition score divides
# by the sizes of the matrices, and was fooled here. `own_token_rank` ignores sizes too.
# The untrained baseline could not show this. A run can, and so can the size of what is written.

# %% tags=["numbers"]
assert composition.argmax() == 3 * 4 + 1
claim("untrained K-composition", untrained.mean(), text=0.13, within=0.01)
assert 2.5 < composition[3, 1] / untrained.mean() < 3.5 and composition[3, 1] > composition[1].max()
claim("loss of the toy on the repeat", toy_loss, text=0.4, within=0.05)
assert abs(toy_cost[3, "k"]) < 0.02 and abs(without_reader) < 0.02
assert -0.5 < toy_loss + toy_cost[1, "k"] - toy_first < 0
assert abs(reader_alone - no_reader) < 0.1 and no_reader > 3.5
claim("L0H1 out of the keys, nats", toy_cost[1, "k"], text=3.7, within=0.2)
assert -0.3 < toy_cost[1, "q"] < 0 and -0.3 < toy_cost[1, "v"] < 0
assert max(abs(toy_cost[h, into]) for h in (0, 2, 3) for into in "kqv") < 0.05
claim("size of what L0H3 writes", size[3], text=0.024, within=0.003)
claim("size of what L0H1 writes", size[1], text=0.74, within=0.05)

# %% [markdown]
# ## 4. The same question to SmolLM2
#
# In lesson 1.1 you found five induction heads in SmolLM2, and one head without which all five fail: L16H0, a previous-token head. But its
# ablation changed everything after layer 16. Does L16H0 really reach them *through their keys*?
#
# One caution. In this model three query heads share one key head. L17H3, L17H4 and L17H5 have the same keys, and
# so have L18H6 and L18H7. So these are two independent readers of keys, and not five. Your hooks change what keys are made of. The
# sharing and the rotation by position come after that, so they need no care.
#
# First the weights: which earlier heads can the keys of L18H6 read, by the K-composition score? The norm of each layer multiplies every
# coordinate by a weight before a head reads it. The folded code multiplies these weights into `W_Q`, `W_K` and `W_V`.

# %% tags=["folded"]
# K-composition of every earlier head with two readers, the norm's weights counted.
from transformer_lens import FactoredMatrix
from transformer_lens.utilities.matrix import composition_scores

model = load()
cfg = model.cfg
TOP = [(18, 6), (17, 3), (17, 4), (17, 5), (18, 7)]  # lesson 1.1's induction heads
group = cfg.n_heads // cfg.n_key_value_heads
with torch.no_grad():
    ln1 = torch.stack([block.ln1.weight for block in model.blocks])[:, None, :, None]
    W_Q, W_O = ln1 * model.W_Q, model.W_O  # [layer, head, ...]
    # A key head serves three query heads: repeat it, so that each query head has its own copy.
    W_K, W_V = ((ln1 * w).repeat_interleave(group, dim=1) for w in (model.W_K, model.W_V))


@torch.no_grad()
def readable(reader) -> torch.Tensor:
    """K-composition of every earlier head with `reader`, [layer, head]."""
    # FactoredMatrix(A, B) stands for A @ B and does not multiply it out; .mT transposes.
    OV = FactoredMatrix(W_V[: reader[0]], W_O[: reader[0]])
    return composition_scores(OV, FactoredMatrix(W_K[reader], W_Q[reader].mT)).cpu()


rows = []
for reader in [(18, 6), (17, 3)]:
    found = readable(reader).reshape(reader[0], cfg.n_heads)
    named = [f"{head_name(head)} {found[head]:.2f}" for head in top_heads(found, 6)]
    rows.append([head_name(reader), *named, f"{found.median():.2f}"])
plots.table(rows, columns=["reader", *"123456", "median of all earlier heads"])

# %% [markdown]
# The keys of layer 17's heads read L16H0 far more than any other head. Those of layer 18 read two: L17H8, at **0.17**, and L16H0, at **0.16**.
# The others are near the median. The toy has shown that such a table needs a run.
#
# *Predict first:* take L16H0's output out of the **keys of layers 17 and 18**, and out of nothing else. How much worse does the repeat
# get, compared with ablating the head everywhere?

# %%
predict(
    "12.path",
    "L16H0 out of the keys of layers 17 and 18 only: compared with ablating the whole head, the repeat gets",
    choices=["much less bad", "about as bad", "worse"],
)

# %%
SMOL = {"d_vocab": cfg.d_vocab, "bos": model.tokenizer.bos_token_id, "n_special": 17}
fresh = repeated_tokens(50, batch=4, **SMOL, generator=torch.Generator().manual_seed(1))
fresh = fresh.to(cfg.device)
change = removal(model, fresh, (16, 0))
runs = {"nothing": [], "L16H0 everywhere": ablation_hooks(model, [(16, 0)])}
for into, name in (("k", "keys"), ("q", "queries"), ("v", "values")):
    hooks = path_hooks(model, fresh, change, layers=[17, 18], into=into)
    runs[f"L16H0, {name} of 17 and 18"] = hooks
runs["L17H8, keys of 18"] = path_hooks(model, fresh, removal(model, fresh, (17, 8)), layers=[18])
cost_of = dict(zip(runs, repeat_costs(model, fresh, [*runs.values()]).cpu(), strict=True))
scores = {}  # induction scores of all heads, [layer, head]
for name, hooks in runs.items():
    with model.hooks(fwd_hooks=hooks):
        scores[name] = stripe_scores(model, fresh, back=49)


def added(name: str) -> tuple[float, float]:
    """Added loss on the repeat, paired by row, and its standard error."""
    return cost_of[name].mean().item(), (cost_of[name].std() / len(fresh) ** 0.5).item()


ratio = added("L16H0, keys of 17 and 18")[0] / added("L16H0 everywhere")[0]
outcome("12.path", "worse" if ratio > 1.1 else "about as bad" if ratio > 0.8 else "much less bad")
plots.table(
    [
        [
            name,
            *(f"{scores[name][head]:.2f}" for head in TOP),
            "{:+.1f} ({:.1f})".format(*added(name)),
        ]
        for name in runs
    ],
    columns=["taken out", *map(head_name, TOP), "added loss on the repeat (SE)"],
)

# %% [markdown]
# The arrow into the key holds here too. With L16H0 out of two layers' keys the induction score of all five heads is below `0.05`,
# and the loss on the repeat rises by **8.2** nats. Out of the queries or the values it costs about half a nat. That is little, but not
# zero: without L16H0 in the queries L18H7 attends less to the right token. So L16H0 acts mainly through the keys, and not only.
#
# It is even *worse* than losing the head everywhere, and *Going deeper* asks why. And L17H8, which layer 18 reads most by its weights, matters as
# well: when it is taken out of layer 18's keys, L18H7 loses most of its induction score. In layer 18, at least two heads feed the keys.

# %% tags=["numbers"]
all_scores = scores["nothing"]
every = [(layer, h) for layer in range(cfg.n_layers) for h in range(cfg.n_heads)]
top_scores = {name: torch.stack([of[head] for head in TOP]) for name, of in scores.items()}
assert set(top_heads(all_scores, 5)) == set(TOP)
claim(
    "K-composition of L17H8 and L18H6", readable((18, 6)).view(18, 9)[17, 8], text=0.17, within=0.01
)
claim(
    "K-composition of L16H0 and L18H6", readable((18, 6)).view(18, 9)[16, 0], text=0.16, within=0.01
)
assert readable((18, 6)).flatten().topk(3).values[2] < 0.07 < 0.14 < readable((17, 3)).max()
assert readable((17, 3)).flatten().topk(2).values[1] < 0.07
claim("L16H0 out of the keys", added("L16H0, keys of 17 and 18")[0], text=8.2, within=0.8)
assert top_scores["L16H0, keys of 17 and 18"].max() < 0.05
assert ratio > 1.15
for name in ("queries", "values"):
    mean, error = added(f"L16H0, {name} of 17 and 18")
    assert 3 * error < mean and 0.25 < mean < 0.75
assert top_scores["L16H0, queries of 17 and 18"][4] < 0.8 * top_scores["nothing"][4]
assert top_scores["L17H8, keys of 18"][4] < 0.4 * top_scores["nothing"][4]
assert top_scores["L17H8, keys of 18"][0] < 0.7 * top_scores["nothing"][0]
assert top_scores["L17H8, keys of 18"][1:4].equal(top_scores["nothing"][1:4])

# %% [markdown]
# ## 5. Audit: what else could explain this?
#
# Queries and values were two controls. A third is often shown: the other eight heads of layer 16,
# each taken out of the same keys in the same way.

# %%
changes = [removal(model, fresh, (16, h)) for h in range(cfg.n_heads)]
length = [change[:, 1:].norm(dim=-1).mean().item() for change in changes]  # BOS aside
hooks = [path_hooks(model, fresh, change, layers=[17, 18]) for change in changes]
out_of_keys = repeat_costs(model, fresh, hooks).mean(1).tolist()
plots.table(
    [[f"L16H{h}", f"{out_of_keys[h]:+.2f}", f"{length[h]:.0f}"] for h in range(cfg.n_heads)],
    columns=["taken out of the keys of 17 and 18", "added loss", "length of the change"],
)

# %% [markdown]
# ### Exercise 3 · which objections are left? (4 minutes, medium)
#
# "To continue a repeat, the keys of layers 17 and 18 need what L16H0 writes." Here are five objections. Which of them have *not* been ruled
# out by what you have measured so far? Give a set of letters, such as `{"a", "c"}`.
#
# - **a** Taking any head of layer 16 out of these keys has that effect.
# - **b** Any change of these keys that is as large has that effect, whatever it takes away.
# - **c** The patch breaks the keys, even where it changes next to nothing.
# - **d** The cost comes only through layers in between: the keys themselves do not read L16H0.
# - **e** This holds for random tokens only. On natural text the keys need something else.

# %% tags=["answer:rivals_left"]
### BEGIN SOLUTION
rivals_left = {"b", "e"}
### END SOLUTION

# %% tags=["check"]
rivals_left = lesson_12.check_rivals_left(rivals_left)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For each objection, say what the tables would look like if it were true. Then look.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two are left. Which differences between L16H0 and the other heads does the table show? And what was the model given to read?
#
# </details>

# %% [markdown]
# Objection **e** is not tested in this lesson (lesson 1.1 ablates heads on natural text). But **b** can be settled here, and it is a flaw of the table above: the other
# heads write vectors that are at most half as long as those of L16H0. A control has to be as large as what it controls for.
#
# ### Exercise 4 · a control of the same size (5 minutes, easy)
#
# Write the control: at each position a vector in a random direction, with the length that `change` has at that position.


# %% tags=["exercise:utils.circuits.composition.size_matched"]
def size_matched(
    change: Float[Tensor, "batch pos d_model"], *, generator: torch.Generator
) -> Float[Tensor, "batch pos d_model"]:
    """A random vector at each position, as long as `change` is there, in a direction of its own.

    All directions are equally likely. It is the control for a change of that size.
    """
    ### BEGIN SOLUTION
    random = torch.randn(change.shape, generator=generator).to(change)
    return random * change.norm(dim=-1, keepdim=True) / random.norm(dim=-1, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
size_matched = lesson_12.check_size_matched(size_matched)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Draw with `torch.randn(change.shape, generator=generator)`: then all directions are equally likely.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `x.norm(dim=-1, keepdim=True)` is the length at each position, [batch, pos, 1]. Divide by the random vector's length, and
# multiply by that of `change`.
#
# </details>

# %%
draw = torch.Generator().manual_seed(2)
paths = {
    "L16H0, keys of 17 and 18": ((16, 0), [17, 18], "k"),
    "L16H0, queries of 17 and 18": ((16, 0), [17, 18], "q"),
    "L16H0, values of 17 and 18": ((16, 0), [17, 18], "v"),
    "L17H8, keys of 18": ((17, 8), [18], "k"),
}
hooks = []
for head, layers, into in paths.values():
    change = removal(model, fresh, head)
    for _ in range(3):
        random = size_matched(change, generator=draw)
        hooks.append(path_hooks(model, fresh, random, layers=layers, into=into))
of_random = repeat_costs(model, fresh, hooks).mean(1).view(-1, 3).tolist()
as_large = dict(zip(paths, of_random, strict=True))
plots.table(
    [
        [name, f"{added(name)[0]:+.2f}", f"{min(costs):+.2f} to {max(costs):+.2f}"]
        for name, costs in as_large.items()
    ],
    columns=["taken out", "added loss", "three random changes as large"],
)

# %%
plots.bars(
    {
        "L16H0": out_of_keys[0],
        "L16H2": out_of_keys[2],
        "7 others (mean)": (sum(out_of_keys[1:]) - out_of_keys[2]) / 7,
        "random, same size": sum(as_large["L16H0, keys of 17 and 18"]) / 3,
    },
    dots={
        "7 others (mean)": [out_of_keys[1], *out_of_keys[3:]],
        "random, same size": as_large["L16H0, keys of 17 and 18"],
    },
    title="Changes in the keys of layers 17 and 18: does size alone do it?",
    y="added loss on the repeat (nats)",
)

# %% [markdown]
# For L16H0 and L17H8 in the keys, random changes of the same size cost less than a tenth of the real one. So the size of the change does not explain the cost: the
# direction counts. In the queries and values, too, L16H0 costs more than random. And L16H2's change is about half as long as L16H0's, and still costs
# more than twice what the random changes of L16H0's size cost. So the keys read L16H2 as well, though far less.

# %% tags=["numbers"]
assert length[0] > 2 * max(length[1:])
assert rivals_left == {"b", "e"}
for name in ("L16H0, keys of 17 and 18", "L17H8, keys of 18"):
    assert max(as_large[name]) < 0.1 * added(name)[0]
for name in ("L16H0, queries of 17 and 18", "L16H0, values of 17 and 18"):
    assert 1.5 * max(as_large[name]) < added(name)[0]
assert 2 * max(as_large["L16H0, keys of 17 and 18"]) < out_of_keys[2] < 0.25 * out_of_keys[0]
assert out_of_keys[1:].index(max(out_of_keys[1:])) == 1

# %% [markdown]
# ## Going deeper: an unknown circuit in ten ablations
#
# `data/induction/unknown` holds one more toy of the same kind. Its seed was fixed before its training, and its circuit stands
# nowhere in this text. You get its loss on the repeat with any set of heads ablated, ten times.
#
# ### Investigation · name its circuit (12 minutes, medium)
#
# Which head of layer 0 says which token came before, and which heads of layer 1 do induction? Here a head of layer 1 counts as an
# induction head if it lowers the loss on the repeat by more than `0.4` nats when it is the only head left in layer 1. (With none left, the repeat
# costs as much as the first half.) Give a list of (layer, head).
#
# Mind that heads can stand in for each other. If two heads do the same, then without *one* of them little is lost.

# %%
calls: list = []


def loss_without(*heads) -> float:
    """Loss on the repeat of the unknown toy without these heads, such as `(0, 1), (1, 2)`."""
    if len(calls) == 10:
        raise RuntimeError("Ten ablations are used up. Run this cell again for a new budget.")
    calls.append(heads)
    unknown = load_toy("unknown")
    with torch.no_grad(), ablated(unknown, heads):
        return loss_by_half(unknown(toy_tokens), toy_tokens)[1]


with torch.no_grad():
    half_losses = loss_by_half(load_toy("unknown")(toy_tokens), toy_tokens)
print("intact: first half {:.2f}, repeat {:.2f} nats".format(*half_losses))

# %% tags=["solution-only"]
for h in range(4):  # which head of layer 0?
    print(f"without L0H{h}: {loss_without((0, h)):.2f}")
for h in range(4):  # of layer 1, each head as the only one that is left
    print(f"L1H{h} alone: {loss_without(*((1, i) for i in range(4) if i != h)):.2f}")

# %% tags=["answer:unknown_circuit"]
### BEGIN SOLUTION
unknown_circuit = [(0, 3), (1, 1), (1, 2), (1, 3)]
### END SOLUTION

# %% tags=["check"]
unknown_circuit = lesson_12.check_unknown_circuit(unknown_circuit)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Four calls find the head of layer 0, or fewer: you may ablate two heads at once.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In layer 1, ablate three heads at a time. What can the one that is left do alone?
#
# </details>

# %%
unknown, in_layer_1 = load_toy("unknown"), [(1, h) for h in range(4)]
unknown_scores = stripe_scores(unknown, toy_tokens, back=22)[1]
unknown_rows = {}
for head in in_layer_1:
    rest = [other for other in in_layer_1 if other != head]
    hooks = [ablation_hooks(unknown, heads) for heads in ([head], rest, [*rest, (0, 3)])]
    costs = repeat_costs(unknown, toy_tokens, hooks).mean(1)
    unknown_rows[head] = [costs[0].item(), *(half_losses[1] + costs[1:]).tolist()]
plots.table(
    [
        [head_name(head), f"{unknown_scores[head[1]]:.2f}", f"{row[0]:+.2f}"]
        + [f"{loss:.2f}" for loss in row[1:]]
        for head, row in unknown_rows.items()
    ],
    columns=[
        "head",
        "induction score",
        "added when ablated",
        "loss, alone in layer 1",
        "the same, without L0H3 too",
    ],
)

# %% [markdown]
# <details><summary>What the table says (after your answer)</summary>
#
# L1H0 looks like one more induction head when it is ablated, and is none: left alone
# it carries nothing. L1H3 costs little more, and is one. None of the three does anything alone once L0H3 is gone: they read it.
# Ablating heads one by one finds what is *necessary*. Leaving them alone finds what is *sufficient*. With redundant heads the two differ.
#
# </details>

# %% tags=["numbers"]
nothing_left = repeat_costs(unknown, toy_tokens, [ablation_hooks(unknown, in_layer_1)]).mean()
nothing_left = half_losses[1] + nothing_left.item()
singles, alone, cut_off = zip(*unknown_rows.values(), strict=True)
assert 0.2 < singles[0] < singles[3] < singles[1] < singles[2] and singles[3] < singles[0] + 0.3
assert [loss < nothing_left - 0.4 for loss in alone] == [False, True, True, True]
assert abs(alone[0] - nothing_left) < 0.1 and min(cut_off) > nothing_left - 0.2
assert unknown_scores[0] < 0.1 and unknown_scores[1:].min() > 0.5
ablations = [ablation_hooks(unknown, [(0, h)]) for h in range(4)]
in_layer_0 = repeat_costs(unknown, toy_tokens, ablations).mean(1).tolist()
assert in_layer_0[3] > 3 and max(in_layer_0[:3]) < 0.1
assert set(unknown_circuit) == {(0, 3), (1, 1), (1, 2), (1, 3)}

# %% [markdown]
# ## Going deeper: two ways to take a head out
#
# Take L16H0 out of two layers' keys, and the repeat costs more than with the whole head ablated. How can less be
# worse? When a head is ablated, everything after it is computed anew, and may make up for the loss. A path patch holds
# the stream as it was.
#
# Perhaps the MLPs right after the head make up for it. So ablate the head, and hold the outputs of the MLPs of layers 16 and 17 at what they were in the
# intact run. Holding them is unnatural too, so there are controls: random vectors of the size of what each head's ablation changes,
# added to the output of its layer's attention.

# %%
mlps = [f"blocks.{layer}.hook_mlp_out" for layer in (16, 17)]
with torch.no_grad():
    _, intact = model.run_with_cache(fresh, names_filter=mlps)


def hold(activation, hook):
    return intact[hook.name]


hold_mlps = [(name, hold) for name in mlps]
draw, changes = torch.Generator().manual_seed(3), {}


def adding(noise):
    def add(activation, hook):
        return activation + noise

    return add


for head in [(16, 0), (17, 8)]:
    name, noise = head_name(head), size_matched(removal(model, fresh, head), generator=draw)
    changes[f"{name} ablated"] = ablation_hooks(model, [head])
    changes[f"random, as large as for {name}"] = [
        (f"blocks.{head[0]}.hook_attn_out", adding(noise))
    ]
held = {
    name: repeat_costs(model, fresh, [hooks, hooks + hold_mlps]).mean(1).tolist()
    for name, hooks in changes.items()
}
plots.table(
    [[name, *(f"{cost:+.2f}" for cost in costs)] for name, costs in held.items()],
    columns=["change", "added loss", "added loss, MLPs of 16 and 17 held"],
)

# %% [markdown]
# With the MLPs held, ablating L16H0 costs about one and a half times as much. But the random change of its size also costs more then, so this
# says little about L16H0. L17H8 is the telling case.
# Ablated, it costs less than half a nat, and one might conclude that its high composition score is empty, as in the toy. With the
# MLPs held it costs **2.8**: it was needed, and the MLPs stood in for it. The random change of its size costs little either way. This is
# called **self-repair** (lesson 1.3 meets it again). "Ablating it costs nothing" does not say that a head does nothing.

# %% tags=["numbers"]
assert 1.3 < held["L16H0 ablated"][1] / held["L16H0 ablated"][0] < 1.8
assert max(max(of) for name, of in held.items() if "random" in name) < 0.8
assert held["random, as large as for L16H0"][1] > 1.15 * held["random, as large as for L16H0"][0]
assert max(held["random, as large as for L17H8"]) < 0.2
assert 0.1 < held["L17H8 ablated"][0] < 0.5
claim("L17H8 ablated, MLPs held", held["L17H8 ablated"][1], text=2.8, within=0.4)
assert 6 < held["L17H8 ablated"][1] / held["L17H8 ablated"][0] < 15

# %% [markdown]
# ## Going deeper: do the induction heads of SmolLM2 copy?
#
# In the toy the induction heads raise the logit of the token that they look at. In SmolLM2 one can score this from the weights
# as well: embeddings, a head's OV circuit, the unembedding, `own_token_rank`. There are two traps.
#
# - **Tied weights.** Embedding and unembedding are the same matrix here. So a head that passed its input on *unchanged* would score
#   almost 1. That is the reference, and not `0.5`.
# - **Which embedding?** No head of layer 17 meets the raw embedding. MLP 0 rewrites it first (lesson 00). The embedding plus what MLP 0 makes of
#   it is called the **effective embedding**.
#
# Both are scores of weights. The third measure is taken in the running model: how far does a head's own output raise the logit
# of the right next token?
#
# ### Exercise 5 · the direct effect of every head (15 minutes, medium)
#
# What a head writes at a position goes through the final norm and the unembedding, among much else. The norm divides by one number for each
# position, `ln_final.hook_scale`, and multiplies by a weight for each coordinate. With that number held, logits are a sum over all that was written, and
# each head has its own summand, the **direct effect**. Lesson 1.3 builds on it.
#
# With halves of n tokens, the second half stands at positions n+1 to 2n. Count what is written at n+1 to 2n-1, for the
# tokens at n+2 to 2n. If `start = n + 1`, these are the slices `[:, start:-1]` and `[:, start + 1 :]`.


# %% tags=["exercise:utils.circuits.composition.direct_copying"]
def direct_copying(
    model, tokens: Int[Tensor, "batch pos"], layers: Sequence[int]
) -> Float[Tensor, "batch layer head"]:
    """How far each head's own output raises the logit of the next token, in the second half.

    From the logit the mean over the vocabulary is taken off. Mean over the positions of the second
    half but its last, whose next token is not there. Direct: what the head wrote goes straight to
    the final norm, whose scale is that of this run, and to the unembedding.

    Args:
        model: its final norm divides by `ln_final.hook_scale`, which can be cached, [batch, pos,
            1], and multiplies by `model.ln_final.weight`.
        tokens: BOS and two halves of equal length, the second a repeat or not.
        layers: whose heads to score.
    """
    ### BEGIN SOLUTION
    start = 1 + tokens.shape[1] // 2
    names = [*(f"blocks.{layer}.attn.hook_z" for layer in layers), "ln_final.hook_scale"]
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=names)
        wanted = model.W_U.T[tokens[:, start + 1 :]] - model.W_U.mean(1)
        wanted = model.ln_final.weight * wanted / cache["ln_final.hook_scale"][:, start:-1]
        effects = []
        for layer in layers:
            z = cache[f"blocks.{layer}.attn.hook_z"][:, start:-1]
            written = torch.einsum("bphe,hed->bphd", z, model.W_O[layer])
            effects.append(torch.einsum("bphd,bpd->bph", written, wanted).mean(1))
    return torch.stack(effects, dim=1)
    ### END SOLUTION


# %% tags=["check"]
direct_copying = lesson_12.check_direct_copying(direct_copying)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `tokens` holds BOS and 2n tokens, so `tokens.shape[1] // 2` is n. Cache `blocks.L.attn.hook_z`, [batch, pos, head, d_head], of
# each layer and `ln_final.hook_scale` in one run.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Turn it round: the direction that raises the right logit is `W_U[:, token] - W_U.mean(1)`, times the norm's weight, divided by
# the scale. The effect is the dot product of `z @ W_O` with it.
#
# </details>

# %%
test_tokens, others = (
    repeated_tokens(50, batch=8, **SMOL, generator=torch.Generator().manual_seed(seed)).to(
        cfg.device
    )
    for seed in (4, 5)
)
unrepeated = torch.cat([others[:, :51], test_tokens[:, 51:]], dim=1)  # the same second half
late = range(17, cfg.n_layers)
effect = direct_copying(model, test_tokens, late) - direct_copying(model, unrepeated, late)
effect, spread = effect.mean(0).cpu(), (effect.std(0) / len(effect) ** 0.5).cpu()

sample = torch.randint(17, cfg.d_vocab, (200,), generator=torch.Generator().manual_seed(6))
sample = sample.to(cfg.device)
with torch.no_grad():
    raw = model.W_E[sample]
    effective = raw + model.blocks[0].mlp(model.blocks[0].ln2(raw[None]))[0]
    unembed = (model.ln_final.weight[:, None] * model.W_U)[:, sample]


@torch.no_grad()
def rank_of_heads(embedding) -> dict:
    """Own-token rank of each head's OV circuit, and of none at all."""
    x = embedding / embedding.pow(2).mean(-1, keepdim=True).sqrt()
    ranks = {
        (layer, h): own_token_rank((x @ W_V[layer, h]) @ (W_O[layer, h] @ unembed))
        for layer in range(cfg.n_layers)
        for h in range(cfg.n_heads)
    }
    return ranks | {"unchanged": own_token_rank(x @ unembed)}


by_raw, by_effective = rank_of_heads(raw), rank_of_heads(effective)
shown = [*TOP, (23, 0), (29, 1)]
rows = [
    [
        head_name(head),
        f"{by_raw[head]:.2f}",
        f"{by_effective[head]:.2f}",
        f"{effect[head[0] - 17, head[1]]:+.2f} ({spread[head[0] - 17, head[1]]:.2f})",
    ]
    for head in shown
]
rest = [(layer, h) for layer in (17, 18) for h in range(cfg.n_heads) if (layer, h) not in TOP]
most = max(abs(effect[layer - 17, h]) for layer, h in rest)
rows.append([f"largest of the {len(rest)} others in layers 17 and 18", "", "", f"{most:.2f}"])
rows.append(
    ["passed on unchanged", f"{by_raw['unchanged']:.2f}", f"{by_effective['unchanged']:.2f}", ""]
)
medians = [
    torch.tensor([rank for key, rank in by.items() if key != "unchanged"]).median()
    for by in (by_raw, by_effective)
]
rows.append(["median of all 270 heads", *(f"{median:.2f}" for median in medians), ""])
plots.table(
    rows,
    columns=[
        "head",
        "rank, raw embedding",
        "rank, effective embedding",
        "direct effect on the repeated token, minus unrepeated (SE)",
    ],
)

# %% [markdown]
# Read the last column first, since it is measured in the running model. Of the five, L18H6 (**0.18**) and L18H7 (**0.14**) raise the logit of the right token. The three of
# layer 17 hardly do; none of the other heads of layers 17 and 18 does. The effective embedding agrees: the two of layer 18 rank as high as an input
# passed on unchanged, and those of layer 17 lower. So two of five copy directly. Whether the other three copy through later
# layers, this measure cannot see.
#
# The raw score misleads. By it L23H0 copies worse than the median head (**0.34**), though with the effective embedding it is near-perfect.
# And L29H1 scores as high as passing the input on unchanged. It does pass it on: it looks mostly at its own position, and amplifies what
# the stream already says there. That is an echo of the answer. Its direct effect is the largest of all, and it is no induction
# head.

# %% tags=["numbers"]
of = {head: effect[head[0] - 17, head[1]].item() for head in every if head[0] >= 17}
claim("direct effect of L18H6", of[18, 6], text=0.18, within=0.027)
claim("direct effect of L18H7", of[18, 7], text=0.14, within=0.02)
assert (
    max(of[head] for head in [(17, 3), (17, 4), (17, 5)]) < 0.04 < 0.08 < min(of[18, 6], of[18, 7])
)
assert max(abs(v) for head, v in of.items() if head[0] <= 18 and head not in TOP) < 0.02
assert of[18, 7] > 6 * spread[1, 7] and of[18, 6] > 6 * spread[1, 6]
assert all(abs(by_effective[18, h] - by_effective["unchanged"]) < 0.05 for h in (6, 7))
assert by_raw[23, 0] < medians[0] - 0.1
assert max(by_effective[17, h] for h in (3, 4, 5)) < 0.65
claim("raw rank of L23H0", by_raw[23, 0], text=0.34, within=0.05)
assert by_effective[23, 0] > 0.97 and by_raw[29, 1] > 0.98 and by_raw["unchanged"] > 0.98
assert by_effective[29, 1] < 0.65 and max(of, key=of.get) == (29, 1)
with torch.no_grad():
    _, cache = model.run_with_cache(fresh, names_filter="blocks.29.attn.hook_pattern")
assert cache["pattern", 29][:, 1].diagonal(0, dim1=-2, dim2=-1)[:, 51:].mean() > 0.75
assert all_scores[29, 1] < 0.05

# %% [markdown]
# ## What you found

# %% tags=["results"]
in_keys = added("L16H0, keys of 17 and 18")[0]
plots.table(
    [
        (
            "toy: matching of L1H1, L1H2, L1H3 through the previous-token head",
            f"{matching[1, 1:].min():.2f} or more",
            f"{matching[[0, 2, 3], 1:].max():.2f} at most through others, "
            f"{matching[:, 0].max():.2f} at most for L1H0",
            "yes (two-layer attention-only models, Elhage et al.)",
        ),
        (
            "toy: L0H1 out of the keys, added nats",
            f"{toy_cost[1, 'k']:+.1f}",
            f"{toy_cost[1, 'q']:+.1f} queries, {toy_cost[1, 'v']:+.1f} values",
            "",
        ),
        (
            "toy: the largest K-composition, out of the keys",
            f"{toy_cost[3, 'k']:+.2f}",
            f"(its score is {composition.max():.2f}; untrained {untrained.mean():.2f})",
            "",
        ),
        (
            "SmolLM2: L16H0 out of two layers' keys, added nats",
            f"{in_keys:+.1f}",
            f"{max(as_large['L16H0, keys of 17 and 18']):+.1f} at most, random of that size",
            "",
        ),
        (
            "SmolLM2: the same, queries and values",
            f"{added('L16H0, queries of 17 and 18')[0]:+.1f}, "
            f"{added('L16H0, values of 17 and 18')[0]:+.1f}",
            f"{max(as_large['L16H0, queries of 17 and 18']):+.1f}, "
            f"{max(as_large['L16H0, values of 17 and 18']):+.1f} at most, random of that size",
            "",
        ),
        (
            "SmolLM2: L17H8 out of layer 18's keys, added nats",
            f"{added('L17H8, keys of 18')[0]:+.1f}",
            f"{max(as_large['L17H8, keys of 18']):+.2f} at most, random of that size",
            "",
        ),
        (
            "SmolLM2: induction heads that copy directly",
            "2 of 5",
            "0 of the 13 other heads of layers 17 and 18",
            "copying is part of the definition (Olsson et al.)",
        ),
        (
            "a sudden step in training",
            f"{losses[at.index(1000)] - losses[at.index(1400)]:.1f} nats in 400 steps",
            "no such step with one layer",
            "with two layers or more, not with one (language models up to 13B, Olsson et al.)",
        ),
    ],
    columns=["", "here", "control", "paper"],
)

# %% [markdown]
# ## Questions to discuss
#
# 1. With L16H0 out of layer 17's keys alone, or layer 18's keys alone, which heads fail? Is one of the two layers enough?
# 2. A change of the same vectors at *shuffled positions* is a harder control than random ones. What does it
#    leave in the keys, and what does it add?
# 3. Ablation said that L17H8 hardly matters, and the path patch that it does. Which of the two would you report?
#
# ## Common mistakes
#
# - Reading the largest entry of a table of normalised scores as the strongest connection.
# - A control that is smaller than the effect's cause: other heads that write less.
# - Comparing a copying score with `0.5` where embedding and unembedding are tied.
# - Ablating heads one by one where several do the same.
#
# ## Where this breaks
#
# A path patch puts the model into a state that no text brings about: keys of one past, and queries of another. The path here is the *direct* one.
# Its cost shows that the keys read L16H0 directly, against rival **d**. L16H0 may reach layer 18 through layer 17 and the MLPs
# as well, which was not measured. The composition scores leave out the rotation and the norm's division. And all
# of it is measured on random tokens.
#
# ## Further reading
#
# - Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*
# - Olsson et al. (2022), *In-context Learning and Induction Heads*, arXiv 2209.11895
# - Wang et al. (2022), path patching in *Interpretability in the Wild*, arXiv 2211.00593
# - Singh et al. (2024), *What needs to go right for an induction head?*, arXiv 2404.07129
# - McGrath et al. (2023), *The Hydra Effect: Emergent Self-repair in Language Model Computations*, arXiv 2307.15771
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.1 · Induction heads](11_induction_heads.ipynb) | **Next:** [1.3 · Who moves the name](13_direct_logit_attribution.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/11_induction_heads.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/13_direct_logit_attribution.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("12")
