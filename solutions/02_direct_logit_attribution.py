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
# # 02 · Who moves the name: direct logit attribution
#
# [![Open lesson 02 in Colab]()]()
#
# By the end of this lesson you will be able to
#
# 1. split a model's preference for one answer over another into what each layer, part and head wrote, exactly;
# 2. say what the final norm does to such a split, and what *folding* it means;
# 3. tell attribution from causation: predict what removing a head does, measure it, and find who made up the
#    difference.
#
# **Time** 90 minutes. **Needs** lessons 00 and 01: the residual stream as a sum, the logit lens, mean ablation.
# **Runs** in about two minutes on a laptop's processor.

# %% tags=["setup"]

# %%
import torch

from utils import ioi, plots, progress
from utils.checks import claim, lesson_02
from utils.models import load

model = load()
cfg = model.cfg

# %% [markdown]
# ## 1. Who gets the drink?
#
# `When Mary and John went to the store, John gave a drink to` — ` Mary`, of course. The name that comes once is
# the **indirect object**, IO. The name that comes twice is the **subject**, S: first at **S1**, then at **S2**.
# The last token, which has to predict the name, is **END**. The task is called *indirect-object
# identification*, and it is the best studied one in the field (Wang and colleagues, 2022, on GPT-2 small).
#
# `utils.ioi` makes such prompts: four templates, both orders of the two names in the opening, random places and
# things, and two sets of ten names. The course's rule again: heads are *chosen* on `NAMES`; what is reported
# about them is *measured* on `OTHER_NAMES`.
#
# What to measure? Not the probability of IO: that also moves when the model doubts whether a name is wanted at
# all. The **logit difference** is `logit(IO) - logit(S)`: everything that pushes both names alike cancels. It
# is also the log of how many times more probable IO is than S. Above 0, the model prefers the right name.
#
# ### Exercise 1 · the logit difference (5 minutes, easy)


# %%
def logit_diff(logits: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    """logit(right) - logit(wrong) at the last position, [batch].

    Args:
        logits: [batch, pos, d_vocab].
        right, wrong: [batch], token ids; each row has its own pair.
    """
    ### BEGIN SOLUTION
    last, rows = logits[:, -1], torch.arange(len(right), device=logits.device)
    return last[rows, right] - last[rows, wrong]
    ### END SOLUTION


# %% tags=["check"]
lesson_02.check_logit_diff(logit_diff)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `logits[:, -1]` is [batch, d_vocab]. From row 0 you want column `right[0]`, from row 1 column `right[1]`, and
# so on.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Index both axes at once: with `rows = torch.arange(batch)`, `x[rows, right]` takes one entry from each row.
# `x[:, right]` would take all columns for all rows.
#
# </details>

# %% [markdown]
# The gate: *can the model do it?* 120 prompts, 15 for each template and order. *Predict first:* will it matter
# whether BOS stands in front? (TransformerLens's `to_tokens` prepends it unless you say otherwise; lesson 00.)
# And a control: what if S2 is a *third* name, so that neither of the two is right?

# %%
from utils.attribution import logit_diff, norm_scale  # the course's versions, from here on
from utils.residual import residual_parts

N_EACH = 15
ROLES = ("IO", "S1", "S2", "END", "first")
KEEP = ("hook_embed", "hook_attn_out", "hook_mlp_out", "hook_z", "hook_pattern")


def draw(names, *, bos: bool = True) -> list[ioi.Prompts]:
    """Eight groups of prompts: each template, with IO named first and then with S named first."""
    generator = torch.Generator().manual_seed(0)
    kinds = [(t, order) for t in range(len(ioi.TEMPLATES)) for order in (True, False)]
    ways = {"generator": generator, "names": names, "bos": bos}
    return [ioi.prompts(model, N_EACH, template=t, io_first=o, **ways) for t, o in kinds]


def joined(runs: list[dict]) -> dict:
    """One dictionary from many, joined along the batch: the last axis of a vector, else axis 1."""
    axis = {name: min(1, value.ndim - 1) for name, value in runs[0].items()}
    return {name: torch.cat([run[name] for run in runs], dim=axis[name]) for name in axis}


def at_end(logits, cache, io: torch.Tensor, s: torch.Tensor) -> dict:
    """What the lesson needs of a run, all at END."""
    layers = range(cfg.n_layers)
    parts = residual_parts(cache, cfg.n_layers)[:, :, -1]
    return {
        "io": io,
        "s": s,
        "logit_diff": logit_diff(logits, io, s),
        "first_choice": logits[:, -1].argmax(-1),
        "parts": parts,  # [part, batch, d_model]
        "scale": norm_scale(parts.sum(0), cfg.eps),  # [batch]; section 2 says what for
        "z": torch.stack([cache["z", layer][:, -1] for layer in layers]),  # [layer, batch, ...]
    }


@torch.no_grad()
def measure(groups: list[ioi.Prompts]) -> dict:
    """`at_end` over all prompts, and END's attention to each role, [layer, batch, head, role]."""
    runs = []
    for p in groups:
        logits, cache = model.run_with_cache(p.tokens, names_filter=lambda n: n.endswith(KEEP))
        patterns = torch.stack([cache["pattern", i][:, :, -1] for i in range(cfg.n_layers)])
        roles = [p.where.get(role, 0) for role in ROLES]
        runs.append(
            at_end(logits, cache, p.io, p.s) | {"spare": p.spare, "attention": patterns[..., roles]}
        )
    return joined(runs)


def show(values: torch.Tensor) -> str:
    """Mean over prompts, and two standard errors."""
    return f"{values.mean():.2f} ± {2 * values.std() / len(values) ** 0.5:.2f}"


chosen_on, tested_on = draw(ioi.NAMES), draw(ioi.OTHER_NAMES)
choose, test = measure(chosen_on), measure(tested_on)
without_bos = measure(draw(ioi.NAMES, bos=False))
third = measure([p.third_name() for p in tested_on])
print(tested_on[0].texts[0])
print(tested_on[1].texts[0])

# %%
columns = {
    "NAMES": choose,
    "NAMES, no BOS": without_bos,
    "OTHER_NAMES": test,
    "OTHER_NAMES, S2 is a third name (control)": third,
}
rows = [
    (
        ioi.TEMPLATES[i // 2].format("A", "B", "A" if i % 2 else "B", place="...", thing="..."),
        *(f"{run['logit_diff'].view(8, N_EACH)[i].mean():.1f}" for run in columns.values()),
    )
    for i in range(8)
]
rows.append(("all 120", *(show(run["logit_diff"]) for run in columns.values())))
accuracy = {name: (run["logit_diff"] > 0).float().mean() for name, run in columns.items()}
rows.append(("IO above S", *(f"{share:.3f}" for share in accuracy.values())))
first_choice = {name: (r["first_choice"] == r["io"]).float().mean() for name, r in columns.items()}
rows.append(("IO is first choice of all", *(f"{share:.2f}" for share in first_choice.values())))
plots.table(rows, columns=["logit difference (A is IO, B is S, or the other way)", *columns])

# %% [markdown]
# The model passes. On `NAMES` the difference is **3.7** with BOS and **4.5** without: IO is some forty to
# ninety times as probable as S. It prefers the right name in **99%** of the prompts either way, and on the
# other ten names too, where the difference is **3.8**. GPT-2 small scores `3.56` and `99.3%` on the paper's own
# prompts, so this is a comparable student.
#
# Mind what the difference does *not* say. IO is the first choice of *all* 49,152 tokens in **75%** of these
# prompts; most of the others go on with ` the` or ` her`. Without BOS it is **95%**.
#
# With a third name at S2 the difference is **-0.1** on average. But look down that column: it is **-0.8** where
# IO is named first and **0.6** where it is named second. With nothing else to go by, the model leans towards
# the name it heard last. Hence both orders. And the templates differ a lot, so an interval here (mean ± two
# standard errors over prompts) speaks for *these* templates only.
#
# **Did the tool prepend BOS?** Say which, whenever you report a number. Without BOS every position moves by one
# (`where["END"]` too), and the first word becomes the massive activation of lesson 00. From here on BOS is in
# front.

# %% tags=["numbers"]
by_order = third["logit_diff"].view(4, 2, N_EACH).mean((0, 2))
claim("logit difference, NAMES", choose["logit_diff"].mean(), text=3.7, within=0.1)
claim("logit difference without BOS", without_bos["logit_diff"].mean(), text=4.5, within=0.1)
claim("percent right, NAMES", 100 * accuracy["NAMES"], text=99, within=1)
assert min(list(accuracy.values())[:3]) > 0.98
claim("logit difference, OTHER_NAMES", test["logit_diff"].mean(), text=3.8, within=0.1)
claim("percent first choice", 100 * first_choice["NAMES"], text=75, within=3)
claim("percent first choice, no BOS", 100 * first_choice["NAMES, no BOS"], text=95, within=3)
others = choose["first_choice"][choose["first_choice"] != choose["io"]].tolist()
words = [model.tokenizer.decode([i]) for i in others]
assert words.count(" the") + words.count(" her") > len(words) / 2
claim("logit difference, third name", third["logit_diff"].mean(), text=-0.1, within=0.05)
claim("third name, IO named first", by_order[0], text=-0.8, within=0.1)
claim("third name, IO named second", by_order[1], text=0.6, within=0.1)
odds = [run["logit_diff"].mean().exp() for run in (choose, without_bos)]
assert 35 < odds[0] < 45 < 80 < odds[1] < 95

# %% [markdown]
# ## 2. From the stream to the difference: fold the norm away
#
# At END, the model takes the final residual stream `x` (576 numbers) and does three things:
#
# 1. divides it by its **scale**, the root mean square of its entries: `scale = sqrt(mean(x²) + eps)`;
# 2. multiplies each coordinate by a learned weight, `ln_final.weight`;
# 3. multiplies by the unembedding `W_U`, [d_model, d_vocab].
#
# Steps 1 and 2 are the *RMSNorm*. Step 2 is linear and always the same, so it can be moved into step 3:
# multiply *row i* of `W_U` by weight `i`, once and for all. That is **folding**. The logits do not change; only
# the bookkeeping does. Then a logit is a plain dot product, `(x / scale) · column`, and a logit *difference* is
# a dot product with the difference of two columns: one direction in the stream.
#
# (GPT-2 has a *LayerNorm*. It also subtracts the mean of `x`, which can be folded into whatever writes to the
# stream, and adds a bias, which folds into a bias of the logits. RMSNorm has neither. And this model's `W_U` is
# its embedding, tied: after folding the two are no longer the same matrix, so a folded copy is a copy for
# analysis.)
#
# ### Exercise 2 · the direction (10 minutes, easy)


# %%
def logit_diff_direction(
    W_U: torch.Tensor, norm_weight: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor
) -> torch.Tensor:
    """For each prompt the direction d such that (x / scale) · d is the logit difference,
    [batch, d_model].

    Args:
        W_U: [d_model, d_vocab], not folded.
        norm_weight: the final norm's weight, [d_model].
        right, wrong: [batch], token ids.
    """
    ### BEGIN SOLUTION
    return norm_weight * (W_U[:, right] - W_U[:, wrong]).T
    ### END SOLUTION


# %% tags=["check"]
lesson_02.check_logit_diff_direction(logit_diff_direction)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `W_U[:, right]` takes the columns of all the right tokens at once: [d_model, batch].
#
# </details>
# <details><summary>Hint 2</summary>
#
# Subtract, transpose to [batch, d_model], and multiply by the weights, which then meet the last axis.
#
# </details>

# %%
from utils.attribution import logit_diff_direction

W_U, norm_weight = model.W_U.detach(), model.ln_final.weight.detach()
folded = norm_weight[:, None] * W_U  # by hand: one matrix


def direction_of(run: dict) -> torch.Tensor:
    return logit_diff_direction(W_U, norm_weight, run["io"], run["s"])


direction = direction_of(test)
final = test["parts"].sum(0)  # the whole stream at END, [batch, d_model]
normed = final / test["scale"][:, None]
with torch.no_grad():
    models_own = model(tested_on[0].tokens)[:, -1]
logits_gap = (normed[:N_EACH] @ folded - models_own).abs().max().item()
diff_gap = ((normed * direction).sum(-1) - test["logit_diff"]).abs().max().item()
unfolded = (normed * (W_U[:, test["io"]] - W_U[:, test["s"]]).T).sum(-1)
unfolded_gap = (unfolded - test["logit_diff"]).abs().max().item()
print(f"largest error of any logit, folded by hand:       {logits_gap:.1e}")
print(f"largest error of the difference by the direction: {diff_gap:.1e}")
print(f"the same with the weights forgotten (control):    {unfolded_gap:.1e}")
print(f"weights of the norm: {norm_weight.min():.2f} to {norm_weight.max():.2f}")

# %% tags=["numbers"]
assert logits_gap < 1e-3 and diff_gap < 1e-3, "folding must not change the logits"
assert norm_weight.min() < 0
assert unfolded_gap > 1, "and it must not be forgotten"

# %% [markdown]
# Folded by hand, all 49,152 logits agree with the model's to the last digits that the arithmetic carries.
# Forget the weights, and the difference is off by more than a whole logit.
#
# What *cannot* be folded is step 1. The scale depends on `x`: it is not a fixed linear map. Remember that; it
# comes back twice.
#
# ## 3. When does it know? The lens on the difference
#
# The logit lens of lesson 00, with one number to follow instead of a rank: stop after each layer, divide by the
# scale *of that layer*, and take the dot product with the direction. *Predict first:* in which third of the
# model does the difference appear? Gradually, or at once?
#
# Two controls. The **swapped** prompts, `... John and Mary ..., Mary gave`, where the right answer is the other
# name: the line should turn over. And the difference of two **bystanders**, names which do not stand in the
# prompt: it should do nothing.

# %%
name_ids = torch.tensor([model.to_single_token(" " + name) for name in ioi.OTHER_NAMES])
name_ids = name_ids.to(cfg.device)
absent = torch.stack(
    [
        name_ids[(name_ids != io) & (name_ids != s)]
        for io, s in zip(test["io"], test["s"], strict=True)
    ]
)  # [batch, 8]: the names of the set that do not stand in the prompt
pair = torch.stack(
    [
        row[torch.randperm(8, generator=torch.Generator().manual_seed(i))[:2]]
        for i, row in enumerate(absent)
    ]
)
bystanders = logit_diff_direction(W_U, norm_weight, pair[:, 0], pair[:, 1])
swapped = measure([p.swapped() for p in tested_on])


def after_each_layer(run: dict, towards: torch.Tensor, scale=None) -> torch.Tensor:
    """Logit difference after the embedding and each layer, [1+layer, batch].

    `scale` is each stage's own unless one is given.
    """
    stream = run["parts"].cumsum(0)[::2]
    return (stream * towards).sum(-1) / (norm_scale(stream, cfg.eps) if scale is None else scale)


lens = after_each_layer(test, direction)
running = after_each_layer(test, direction, scale=test["scale"])
lens_swapped = after_each_layer(swapped, direction)
lens_bystanders = after_each_layer(test, bystanders)
plots.lines(
    {
        "logit lens: each layer's own scale": lens.mean(1),
        "the same sum on the final scale": running.mean(1),
        "lens, swapped prompts (control)": lens_swapped.mean(1),
        "lens, two bystanders (control)": lens_bystanders.mean(1),
    },
    at=range(-1, cfg.n_layers),
    title="The answer appears in one layer, 23, and the lens makes it look larger than it is",
    x="after layer (-1 is the embedding)",
    y="logit difference",
)

# %% [markdown]
# At once. After layer 22 the lens reads **0.0**, after layer 23 it reads **8.7**. Swap the prompt and it turns
# over: **-8.7**. The bystanders stay near zero throughout. (Before layer 23 the two lines run together:
# whatever they show there, it is not what the sentence says.)
#
# And then the lens says something odd: after layer 23 the model seems to become *less* sure, down to **3.8** at
# the end. Look at the second line, the same running sum on one scale for all, the final one. It jumps to
# **3.6**, loses about a third of that in layer 24, and wins it back. So most of what fell is not the evidence.
# The stream grew longer: its scale at END goes from **17** after layer 23 to **42** at the end, and each stage
# of the lens is divided by its own. *A lens answers "what if the model stopped here"; it does not say how much
# each layer adds.* For that, put everything on the final scale.

# %% tags=["numbers"]
scales = norm_scale(test["parts"].cumsum(0)[::2], cfg.eps).mean(1)
claim("lens after layer 22", lens[23].mean(), text=0.0, within=0.1)
claim("lens after layer 23", lens[24].mean(), text=8.7, within=0.2)
claim("lens after layer 23, swapped", lens_swapped[24].mean(), text=-8.7, within=0.2)
claim("lens at the end", lens[-1].mean(), text=3.8, within=0.1)
claim("running sum after layer 23", running[24].mean(), text=3.6, within=0.1)
assert 0.6 < running[25:].mean(1).min() / running[24].mean() < 0.75
assert (lens - lens_swapped)[:21].mean(1).abs().max() < 0.3
claim("scale after layer 23", scales[24], text=17, within=1)
claim("scale at the end", scales[-1], text=42, within=1)
assert lens_bystanders[1:].mean(1).abs().max() < 1

# %% [markdown]
# ## 4. Attribution: one sum, 61 parts
#
# The stream is a sum of parts (lesson 00). The difference is a dot product with the stream, divided by a
# number. So the difference is a sum as well, with a share for each part: `part · direction / scale`. That is
# **direct logit attribution**. *Direct*, because it counts only what a part writes straight to the output, not
# what it does through others.
#
# The scale is that of the *whole* stream of each prompt, held fixed, or **frozen**. Not the part's own: then
# the shares would not sum.
#
# ### Exercise 3 · attribution (10 minutes, medium)


# %%
def direct_logit_attribution(
    parts: torch.Tensor, direction: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """What each part adds to the logit difference, [part, batch].

    Args:
        parts: [part, batch, d_model].
        direction: [batch, d_model], with the norm's weight folded in.
        scale: [batch], of the whole stream.
    """
    ### BEGIN SOLUTION
    return (parts * direction).sum(-1) / scale
    ### END SOLUTION


# %% tags=["check"]
lesson_02.check_direct_logit_attribution(direct_logit_attribution)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# [part, batch, d_model] times [batch, d_model] works without reshaping: axes are matched from the right.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A dot product is a product, then a sum over the last axis. What is left is [part, batch], and the scales match
# its last axis.
#
# </details>

# %%
from utils.attribution import direct_logit_attribution

by_part = direct_logit_attribution(test["parts"], direction, test["scale"])
sum_gap = (by_part.sum(0) - test["logit_diff"]).abs().max().item()
print(f"{len(by_part)} parts; their sum misses the logit difference by at most {sum_gap:.1e}")
control_by_part = direct_logit_attribution(test["parts"], bystanders, test["scale"])
plots.lines(
    {
        "attention": by_part[1::2].mean(1),
        "MLP": by_part[2::2].mean(1),
        "attention, towards bystanders (control)": control_by_part[1::2].mean(1),
    },
    title="The attention of layer 23 writes nearly all of the difference",
    x="layer",
    y="share of the logit difference",
)

# %% [markdown]
# The 61 shares sum to the difference, prompt by prompt. The attention of layer 23 alone writes **3.5** of
# **3.8**. The next attention layer takes **1.0** *away*: attributions have signs. The MLPs together add
# **0.9**; no single one adds much.
#
# ### The library's version
#
# TransformerLens has this. It refuses our model as it is, since it wants the norm folded, so it gets a *copy*
# of its own: `enable_compatibility_mode()` rewrites the weights **in place**. It folds each norm's weight into
# the matrices after it, and also subtracts from each row of `W_U` its mean, which moves all logits of a
# position by the same amount. *Predict first:* will that change the logit difference?

# %%
from transformer_lens.tools.analysis import direct_logit_attribution as library_attribution

folded_model = load()
folded_model.enable_compatibility_mode(disable_warnings=True)
group = tested_on[0]
with torch.no_grad():
    theirs_logits = folded_model(group.tokens)[:, -1]
    theirs = library_attribution(
        folded_model, group.tokens, answer_tokens=group.io, incorrect_tokens=group.s
    )
logits_moved = (theirs_logits - models_own).abs().max().item()
probabilities_moved = (theirs_logits.softmax(-1) - models_own.softmax(-1)).abs().max().item()
attribution_gap = (theirs.attribution - by_part[:, :N_EACH]).abs().max().item()
print(f"logits differ by up to {logits_moved:.0f}, probabilities by {probabilities_moved:.1e}")
print(f"attributions differ by {attribution_gap:.1e}; labels {theirs.labels[:3]} ...")
del folded_model

# %% tags=["numbers"]
assert sum_gap < 1e-3 and len(by_part) == 61
share = by_part.mean(1)
claim("share of attention 23", share[1 + 2 * 23], text=3.5, within=0.1)
claim("share of attention 24", share[1 + 2 * 24], text=-1.0, within=0.1)
claim("share of all MLPs", share[2::2].sum(), text=0.9, within=0.1)
assert share[2::2].abs().max() < 0.5 and control_by_part.mean(1).abs().max() < 0.3
assert logits_moved > 1 > 1e-4 > probabilities_moved and attribution_gap < 1e-3
assert torch.equal(model.W_U.detach(), W_U), "our own model is as it was"

# %% [markdown]
# The same numbers. All logits moved, and no probability did: whatever moves all logits alike cancels in the
# softmax, and in every difference.
#
# ## 5. Head by head
#
# An attention layer's output is itself a sum over heads. `z[h]` is what head h read, [d_head], and its own
# `W_O[h]`, [d_head, d_model], writes it into the stream. (Three query heads share keys and values here, but
# each has its own `W_O`.)
#
# ### Exercise 4 · what each head writes (10 minutes, medium)


# %%
def head_outputs(z: torch.Tensor, W_O: torch.Tensor) -> torch.Tensor:
    """What each head of one layer writes into the stream, [head, batch, d_model].

    Args:
        z: [batch, head, d_head].
        W_O: [head, d_head, d_model].
    """
    ### BEGIN SOLUTION
    return torch.einsum("bhe,hed->hbd", z, W_O)
    ### END SOLUTION


# %% tags=["check"]
lesson_02.check_head_outputs(head_outputs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Head by head it is `z[:, h] @ W_O[h]`. A list of these, stacked, is a fine answer.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In one go: `torch.einsum("...", z, W_O)`. Name the axes, batch b, head h, d_head e, d_model d. The one that is
# summed over does not appear after the arrow.
#
# </details>

# %%
from utils.attribution import head_outputs
from utils.heads import head_name, top_heads

W_O = model.W_O.detach()  # [layer, head, d_head, d_model]


def by_head(run: dict, towards: torch.Tensor) -> torch.Tensor:
    """Attribution of each head, [layer, head, batch]."""
    return torch.stack(
        [
            direct_logit_attribution(head_outputs(z, W_O[layer]), towards, run["scale"])
            for layer, z in enumerate(run["z"])
        ]
    )


heads_choose, heads_test = by_head(choose, direction_of(choose)), by_head(test, direction)
heads_gap = (heads_test.sum(1) - by_part[1::2]).abs().max().item()
assert heads_gap < 1e-3, "the heads of a layer must sum to its attention"
plots.head_heatmap(
    heads_test.mean(-1).cpu(),
    title="One head writes more than half of the difference",
    label="share of the logit difference",
    top=3,
)

# %% tags=["nbval-check-output"]
HELPERS = top_heads(heads_choose.mean(-1), 3)
HINDERERS = top_heads(-heads_choose.mean(-1), 2)
print("for IO, chosen on NAMES:", [head_name(head) for head in HELPERS])
print("for S, chosen on NAMES: ", [head_name(head) for head in HINDERERS])

# %%
control_heads = by_head(test, bystanders)
heads_without_bos = by_head(without_bos, direction_of(without_bos))
four = (heads_choose, heads_test, control_heads, heads_without_bos)
plots.table(
    [(head_name(head), *(show(found[head]) for found in four)) for head in HELPERS + HINDERERS],
    columns=[
        "head",
        "on NAMES (chosen)",
        "on OTHER_NAMES",
        "towards bystanders (control)",
        "on NAMES without BOS",
    ],
)

# %% [markdown]
# **L23H3** writes **2.3** of the **3.8**. L29H1 adds **1.0**, L23H0 **0.6**. And two heads write *against* the
# right answer: L29H0 (**-0.7**) and L24H4 (**-0.6**). All of it holds on names that these heads were not chosen
# on. Towards two bystanders the same heads write nearly nothing. And it does not hang on BOS: attribution is
# taken at END, where no massive activation stands.
#
# Most heads write nothing of the sort: the median share, in absolute value, is **0.002** of a logit.

# %% tags=["numbers"]
mean_share = heads_test.mean(-1)
claim("share of L23H3", mean_share[23, 3], text=2.3, within=0.1)
claim("share of L29H1", mean_share[29, 1], text=1.0, within=0.1)
claim("share of L23H0", mean_share[23, 0], text=0.6, within=0.1)
claim("share of L29H0", mean_share[29, 0], text=-0.7, within=0.1)
claim("share of L24H4", mean_share[24, 4], text=-0.6, within=0.1)
claim("median share, in absolute value", mean_share.abs().median(), text=0.002, within=0.001)
assert mean_share[23, 3] > test["logit_diff"].mean() / 2
assert top_heads(heads_without_bos.mean(-1), 3) == HELPERS
assert max(control_heads[head].mean().abs() for head in HELPERS + HINDERERS) < 0.3

# %% [markdown]
# ## 6. Are these name movers?
#
# The paper's story for GPT-2 small: **name movers** look from END to IO and copy that name to the output.
# *Predict first:* where does L23H3, our strongest head, look? At IO?

# %%
ATTENDED = HELPERS + HINDERERS
look = test["attention"].mean(1)  # [layer, head, role]
rows = [(head_name(head), *(f"{a:.2f}" for a in look[head])) for head in ATTENDED]
rows.append(("mean of all 270 heads", *(f"{a:.2f}" for a in look.mean((0, 1)))))
plots.table(rows, columns=["END looks at", *ROLES[:-1], "BOS"])

# %% [markdown]
# L23H3 does not look at IO (**0.05**). It looks at **S2**, the name to *avoid*: **0.60** of its attention. So
# how can it favour IO?
#
# The logit difference cannot tell: it rises when IO goes up, and just as much when S goes *down*. So take it
# apart: measure each name against the mean of the eight bystanders. Both are again directions.

# %%
mean_absent = folded[:, absent].mean(-1).T  # [batch, d_model]
to_io = folded[:, test["io"]].T - mean_absent
to_s = folded[:, test["s"]].T - mean_absent
io_up, s_up = by_head(test, to_io), by_head(test, to_s)
rest_of_23 = [(23, h) for h in range(cfg.n_heads) if h != 3]
rows = [(head_name(head), show(io_up[head]), show(s_up[head])) for head in ATTENDED]
others_io = sum(io_up[head] for head in rest_of_23)
others_s = sum(s_up[head] for head in rest_of_23)
rows.append(("the 8 other heads of layer 23, together", show(others_io), show(others_s)))
all_io = direct_logit_attribution(test["parts"], to_io, test["scale"]).sum(0)
all_s = direct_logit_attribution(test["parts"], to_s, test["scale"]).sum(0)
rows.append(("the whole model", show(all_io), show(all_s)))
plots.table(rows, columns=["raises, against the bystanders", "IO", "S"])

# %% [markdown]
# L23H3 hardly touches IO (**-0.2**) and pushes S down by **2.4**. It is no name mover. It is a **name
# remover**: it looks at a name and lowers that very name.
#
# The rest of layer 23 does the moving: together the other eight heads raise IO by **4.2**, and S by **2.9**.
# L23H0 looks at IO and raises it (**1.2**); that is a name mover as in the book. So layer 23, as a whole:
# *bring up the names of the prompt, and take off the one who gives*. The movers bring the *logit*; the remover
# brings most of the *difference*. Which of them "does the task" depends on what you measure.
#
# L24H4 is a remover as well, but it looks at IO (**0.61**) and lowers it (**-1.2**), so it hurts. GPT-2 has
# such heads too, *negative name movers*, and McDougall and colleagues explain them as **copy suppression**:
# whatever is about to be said and already stands in the text is pushed down a little. L23H3 fits that
# description, at the place where it helps.
#
# And L29H1 and L29H0? About half of their attention goes to END itself. They move nothing from anywhere: one
# makes louder what already stands at END, the other softer. High attribution in a late layer can be an echo.
#
# ### Control: a third name at S2
#
# Is the remover after the name that came *twice*? Put a third name at S2. Nothing comes twice now.

# %%
absent_third = torch.stack(
    [row[row != spare] for row, spare in zip(absent, third["spare"], strict=True)]
)
mean_third = folded[:, absent_third].mean(-1).T
look_third = third["attention"].mean(1)
remover = {
    "S": by_head(test, to_s)[23, 3],
    "the third name": by_head(third, folded[:, third["spare"]].T - mean_third)[23, 3],
}
plots.table(
    [
        (name, f"{means[23, 3, 2]:.2f}", show(remover[name]))
        for name, means in [("S", look), ("the third name", look_third)]
    ],
    columns=["who stands at S2", "L23H3's attention to S2", "what it adds to that name"],
)

# %% [markdown]
# It still looks at S2 (**0.37**) and still takes **1.8** off the name there, though that name came only once.
# So "it came twice" is not the condition, only a help. Something like "the giver is not the receiver" fits
# better. That reading is a guess from one control; a head's name is a hypothesis.

# %% tags=["numbers"]
claim("L23H3 to IO", look[23, 3, 0], text=0.05, within=0.02)
claim("L23H3 to S2", look[23, 3, 2], text=0.60, within=0.03)
claim("L23H3 raises IO by", io_up[23, 3].mean(), text=-0.2, within=0.1)
claim("L23H3 raises S by", s_up[23, 3].mean(), text=-2.4, within=0.1)
claim("the rest of layer 23 raises IO by", others_io.mean(), text=4.2, within=0.1)
claim("the rest of layer 23 raises S by", others_s.mean(), text=2.9, within=0.1)
claim("L23H0 raises IO by", io_up[23, 0].mean(), text=1.2, within=0.1)
claim("L24H4 to IO", look[24, 4, 0], text=0.61, within=0.03)
claim("L24H4 raises IO by", io_up[24, 4].mean(), text=-1.2, within=0.1)
assert look[23, 0].argmax() == look[24, 4].argmax() == 0
assert 0.4 < look[29, 1, 3] < look[29, 0, 3] < 0.6, "L29H1 and L29H0 look at END"
claim("L23H3 to S2, third name", look_third[23, 3, 2], text=0.37, within=0.03)
claim("L23H3 on the third name", remover["the third name"].mean(), text=-1.8, within=0.1)

# %% [markdown]
# ## 7. Attribution is not causation
#
# Attribution says what a head *wrote*. It does not say what would happen *without* the head: later parts read
# what it wrote, and react.
#
# So make the claim testable. In place of a head's output at END comes its mean over the prompts of the
# template, both name orders mixed: "some name or other", and nothing about this prompt. If no later part reacts
# and the scale stays, the difference changes by exactly the change of the head's own share: the **direct
# effect**. That is the prediction which attribution makes.
#
# ### Exercise 5 · what attribution predicts (10 minutes, medium)


# %%
def predicted_effect(
    written: torch.Tensor, direction: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Change of the logit difference if a head wrote its mean over the batch instead, and nothing
    else changed, [batch].

    Args:
        written: what the head writes, [batch, d_model].
        direction: [batch, d_model].
        scale: [batch], of the whole stream.
    """
    ### BEGIN SOLUTION
    return ((written.mean(0) - written) * direction).sum(-1) / scale
    ### END SOLUTION


# %% tags=["check"]
lesson_02.check_predicted_effect(predicted_effect)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# What changes in the stream of each prompt? One vector: the mean, minus what the head wrote there.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Then it is the attribution of that change: dot product with the prompt's own direction, divided by its own
# scale.
#
# </details>

# %% [markdown]
# Now measure it. Only END changes, so only END needs to run again: earlier positions cannot see it. Their keys
# and values are kept in a *key-value cache*, the same that makes text generation fast. That is some fifteen
# times less work. In such a run END is the only position, so `utils.heads.mean_ablate` averages over the
# prompts alone.
#
# To choose heads we sweep all 135 heads of layers 15 to 29 on `NAMES`: the nine heads of a layer at once, each
# in a copy of the batch. (The lower half of the model has next to no attribution; `FROM_LAYER = 0` sweeps it as
# well and takes twice as long.) *Predict first:* draw the scatter of measured against predicted. How close to
# the diagonal?

# %%
from utils.attribution import predicted_effect
from utils.heads import ablated, mean_ablate

FROM_LAYER = 15
CACHED = {"return_type": "logits_and_cache", "use_cache": True}


@torch.no_grad()
def prepare(groups: list[ioi.Prompts], n: int) -> list[tuple]:
    """For each template: END's token, io, s (both orders, n of each), and the cache before END."""
    batches = []
    for pair in zip(groups[::2], groups[1::2], strict=True):
        tokens, io, s = [
            torch.cat([getattr(p, name)[:n] for p in pair]) for name in ("tokens", "io", "s")
        ]
        _, past = model(tokens[:, :-1], **CACHED)
        batches.append((tokens[:, -1:], io, s, past))
    return batches


@torch.no_grad()
def rerun(batches: list[tuple], heads=()) -> dict:
    """`at_end` of a run of END alone, with `heads` mean-ablated."""
    runs = []
    for end, io, s, past in batches:
        with ablated(model, heads):
            logits, cache = model.run_with_cache(
                end, past_key_values=past, names_filter=lambda n: n.endswith(KEEP)
            )
        past.crop(-1)  # the run has added END to the cache: take it off again
        runs.append(at_end(logits, cache, io, s))
    return joined(runs)


@torch.no_grad()
def measured_effects(end: torch.Tensor, io: torch.Tensor, s: torch.Tensor, past) -> torch.Tensor:
    """Change of the logit difference without each single head, [layer, head, batch].

    Works on one template of `prepare`, and uses up its cache.
    """
    n_heads = cfg.n_heads
    past.batch_repeat_interleave(n_heads)  # nine copies of each prompt, side by side
    end, io, s = [t.repeat_interleave(n_heads, 0) for t in (end, io, s)]

    def without_one(z, hook):
        copies = z.view(-1, n_heads, *z.shape[1:])  # [batch, copy, pos, head, d_head]
        each = [mean_ablate(copies[:, h], [h]) for h in range(n_heads)]
        return torch.stack(each, dim=1).flatten(0, 1)

    def difference(hooks: list) -> torch.Tensor:
        with model.hooks(fwd_hooks=hooks):
            logits = model(end, past_key_values=past)
        past.crop(-1)
        return logit_diff(logits, io, s).view(-1, n_heads).T  # [head, batch]

    names = [f"blocks.{i}.attn.hook_z" for i in range(FROM_LAYER, cfg.n_layers)]
    return torch.stack([difference([(n, without_one)]) for n in names]) - difference([])


def predicted_effects(run: dict, n: int) -> torch.Tensor:
    """`predicted_effect` of each head, [layer, head, batch]; n prompts share a mean."""
    towards, found = direction_of(run), []
    for layer, z in enumerate(run["z"]):
        heads = head_outputs(z, W_O[layer]).split(n, dim=1)
        ways = list(zip(heads, towards.split(n), run["scale"].split(n), strict=True))
        found.append(
            torch.stack(
                [
                    torch.cat([predicted_effect(out[h], d, scale) for out, d, scale in ways])
                    for h in range(cfg.n_heads)
                ]
            )
        )
    return torch.stack(found)


N_SWEEP = 6  # of each template and order: 48 prompts
few = prepare(chosen_on, N_SWEEP)
predicted = predicted_effects(rerun(few), 2 * N_SWEEP)[FROM_LAYER:].mean(-1).cpu()
measured = torch.cat([measured_effects(*batch) for batch in few], dim=-1).mean(-1).cpu()

# %%
points = {
    head_name((FROM_LAYER + layer, h)): (predicted[layer, h].item(), measured[layer, h].item())
    for layer in range(len(predicted))
    for h in range(cfg.n_heads)
}
shown = [name for name, (x, y) in points.items() if max(abs(x), abs(y)) > 0.25]
plots.scatter(
    points,
    named=shown,
    diagonal="nothing reacts: measured = predicted",
    title="The largest attributions come true; L20H0 and L23H0 lie far off the line",
    x="predicted change of the logit difference (direct effect)",
    y="measured change",
)

# %% [markdown]
# Over the 135 heads the correlation is **0.90**: impressive, until you notice that three heads make it. Without
# L23H3, L29H1 and L29H0 it is **0.23**. The dots off the diagonal are the interesting ones. Two kinds:
#
# - **No attribution, large effect.** L20H0 writes nothing towards either name, and without it the difference
#   falls by **0.8**.
# - **Attribution, no effect.** L23H0, the name mover as in the book: predicted to cost **0.5**, and the
#   difference does not fall at all. L23H2 beside it is the same.
#
# Pick these by a rule, on `NAMES`: the head of largest attribution; the head of largest effect among those
# predicted below `0.05`; and the head with the largest gap among those predicted to *cost* that cost less than
# half of it.

# %% tags=["nbval-check-output"]
cost, claimed = -measured, -predicted
silent = torch.where(claimed.abs() < 0.05, measured.abs(), torch.zeros(()))
repaired = torch.where(cost < claimed / 2, claimed - cost, torch.zeros(())) * (claimed > 0)
PICKED = [
    (FROM_LAYER + layer, h)
    for layer, h in (top_heads(scores, 1)[0] for scores in (claimed, silent, repaired))
]
print("largest attribution, silent but needed, credited but not needed:")
print([head_name(head) for head in PICKED])

# %% tags=["numbers"]
x, y = predicted.flatten(), measured.flatten()
three = [(layer - FROM_LAYER) * cfg.n_heads + h for layer, h in [(23, 3), (29, 1), (29, 0)]]
others = [i for i in range(len(x)) if i not in three]
correlation = torch.corrcoef(torch.stack([x, y]))[0, 1]
correlation_others = torch.corrcoef(torch.stack([x[others], y[others]]))[0, 1]
claim("correlation over 135 heads", correlation, text=0.90, within=0.03)
claim("without three heads", correlation_others, text=0.23, within=0.1)
claim("L20H0 on NAMES, measured", points["L20H0"][1], text=-0.8, within=0.1)
claim("L23H0 on NAMES, predicted", points["L23H0"][0], text=-0.5, within=0.1)
assert points["L23H0"][1] > -0.05 and abs(points["L20H0"][0]) < 0.05
assert points["L23H2"][0] < -0.2 and points["L23H2"][1] > -0.05
assert len(x) == 135
assert heads_choose.mean(-1)[:FROM_LAYER].abs().max() < 0.05, "the lower half has no attribution"

# %% [markdown]
# ## 8. Who made up the difference?
#
# Now the three, on `OTHER_NAMES`, all 120 prompts, with the full account. The change of the logit difference
# has exactly three sources:
#
# - **direct**: the ablated part's own share;
# - **later parts**: each of them may write something else now;
# - **the norm**: the stream has another length, so *everything* is divided by another scale. This is the second
#   thing that folding cannot remove.
#
# To keep them apart, count each part's change at the scale *before*. Then the norm's share is what the new
# scale does, in place of the old one, to the stream *after*: `after · direction / scale_after - after ·
# direction / scale_before`. Then all shares sum to the whole change.
#
# ### Exercise 6 · the account (20 minutes, hard)


# %%
def ablation_split(
    before: torch.Tensor,
    after: torch.Tensor,
    direction: torch.Tensor,
    scale_before: torch.Tensor,
    scale_after: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each part's share of an ablation's effect, [part, batch], and the norm's share, [batch].

    Args:
        before, after: all parts of the stream in the two runs, [part, batch, d_model].
        direction: [batch, d_model].
        scale_before, scale_after: [batch], of the whole stream in the two runs.
    """
    ### BEGIN SOLUTION
    by_part = ((after - before) * direction).sum(-1) / scale_before
    projected = (after.sum(0) * direction).sum(-1)
    return by_part, projected / scale_after - projected / scale_before
    ### END SOLUTION


# %% tags=["check"]
lesson_02.check_ablation_split(ablation_split)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The parts' shares are the attribution of `after - before`, with the scale from before.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For the norm, sum all parts after the ablation first: that is the whole stream. One dot product with the
# direction, divided by each of the two scales.
#
# </details>

# %%
from utils.attribution import ablation_split

batches = prepare(tested_on, N_EACH)
before = rerun(batches)
cached_gap = (before["logit_diff"] - test["logit_diff"]).abs().max().item()
assert cached_gap < 1e-3, "running END alone must give what the whole run gave"
towards = direction_of(before)
heads_before = by_head(before, towards)
forecast = predicted_effects(before, 2 * N_EACH)
account, reaction = {}, {}
for head in PICKED:
    after = rerun(batches, [head])
    by_source, norm = ablation_split(
        before["parts"], after["parts"], towards, before["scale"], after["scale"]
    )
    total = after["logit_diff"] - before["logit_diff"]
    assert (by_source.sum(0) + norm - total).abs().max() < 1e-3, "the account must add up"
    own = 1 + 2 * head[0]  # the ablated head's attention, among the 61 parts
    assert (by_source[own] - forecast[head]).abs().max() < 1e-3, "direct is what was predicted"
    account[head] = {
        "measured": total,
        "direct (as predicted)": by_source[own],
        "later attention": by_source[own + 2 :: 2].sum(0),
        "later MLPs": by_source[own + 1 :: 2].sum(0),
        "norm": norm,
    }
    # Each later head's new share minus its old one, on the old scale: of the difference, IO, S.
    changed = {"z": after["z"] - before["z"], "scale": before["scale"]}
    reaction[head] = [by_head(changed, d).mean(-1).cpu() for d in (towards, to_io, to_s)]
    for found in reaction[head]:
        found[head] = 0
shrinkage = (after["scale"] / before["scale"]).mean().item()  # of the last of the three
plots.table(
    [(head_name(head), *(show(v) for v in parts.values())) for head, parts in account.items()],
    columns=["without", *account[PICKED[0]]],
)

# %%
rows = []
for head, (change, on_io, on_s) in reaction.items():
    most = top_heads(change.abs(), 4)
    rows.append(
        (
            head_name(head),
            *(
                f"{head_name(h)} {change[h]:+.2f} (IO {on_io[h]:+.2f}, S {on_s[h]:+.2f})"
                for h in most
            ),
        )
    )
plots.table(rows, columns=["without", "reacts most", "second", "third", "fourth"])

# %% [markdown]
# The controls: the same ablation of the head with the largest attribution of the *other* sign, and of six
# random heads of the layers where our three stand.

# %%
from utils.heads import random_heads

OPPOSITE = HINDERERS[0]
RANDOM = random_heads(
    6,
    layers=(20, 23),
    n_heads=cfg.n_heads,
    but=PICKED,
    generator=torch.Generator().manual_seed(1),
)
effect = {
    head: rerun(batches, [head])["logit_diff"] - before["logit_diff"]
    for head in [OPPOSITE, *RANDOM]
}
plots.table(
    [(head_name(head), show(forecast[head]), show(found)) for head, found in effect.items()],
    columns=["without (control)", "predicted", "measured"],
)

# %% [markdown]
# Row by row, on names which had no say in the choice:
#
# **L23H3** was predicted to cost **2.2**, and costs **2.1**. Nearly as predicted, and yet a lot happens
# underneath. Later attention gives back **0.5**, most of it L24H4, which now writes less against IO and more
# against S, the name that is suddenly in the air. Later MLPs, which had followed L23H3, take away **0.4**. The
# two echoes of layer 29 both react, and cancel. That prediction and measurement agree is partly luck: the
# reactions balance.
#
# **L20H0** was predicted to cost nothing and costs **1.0**. It works *through* others: L23H0, L23H2 and L23H1
# each write less to IO and more to S, **1.1** together. Without L20H0 the movers no longer tell the two names
# apart so well. An attribution map shows this head as empty. (In the paper such a head is called
# *S-inhibition*. Whether this one is one is a question for patching, lesson 03.)
#
# **L23H0** was predicted to cost **0.6** and costs **0.1**, give or take as much. That is **self-repair**.
# L24H4, which suppresses names, suppresses IO less now (**0.3**). And the stream is **4%** shorter, so all that
# remains is divided by less (**0.2**). No spare head has to "notice" anything: one suppressor and the norm are
# enough. (Rushing and Nanda found the norm's part in larger models.)
#
# The controls: L29H0 hurts, and without it the difference *rises*, by **0.8**, where **0.7** was predicted. It
# stands in the last layer, where only one MLP can still react. Of the six random heads none moves the
# difference by more than **0.12**.
#
# So what does a share of `0.6` mean? That the head wrote `0.6` to the output, and no more than that. *High
# attribution and yet not needed* is a real state of affairs; so is *no attribution and badly needed*.
# Attribution finds who speaks last. To find who matters, intervene.

# %% tags=["numbers"]
means = {head: {k: v.mean().item() for k, v in parts.items()} for head, parts in account.items()}
top, silent_one, repaired_one = PICKED
assert PICKED == [(23, 3), (20, 0), (23, 0)] and OPPOSITE == (29, 0)
claim("L23H3, predicted", means[top]["direct (as predicted)"], text=-2.2, within=0.1)
claim("L23H3, measured", means[top]["measured"], text=-2.1, within=0.1)
claim("L23H3, later attention", means[top]["later attention"], text=0.5, within=0.1)
claim("L23H3, later MLPs", means[top]["later MLPs"], text=-0.4, within=0.1)
change, on_io, on_s = reaction[top]
assert change[24, 4] > 0.4 and on_io[24, 4] > 0.1 and on_s[24, 4] < -0.1
assert change[29, 1] < -0.3 and change[29, 0] > 0.3 and abs(change[29, 1] + change[29, 0]) < 0.15
claim("L20H0, measured", means[silent_one]["measured"], text=-1.0, within=0.1)
assert abs(means[silent_one]["direct (as predicted)"]) < 0.1
change, on_io, on_s = reaction[silent_one]
claim("movers without L20H0", change[23, :3].sum(), text=-1.1, within=0.1)
assert on_io[23, :3].max() < -0.1 and on_s[23, :3].min() > 0.1
found = account[repaired_one]["measured"]
claim("L23H0, predicted", means[repaired_one]["direct (as predicted)"], text=-0.6, within=0.1)
claim("L23H0, measured", found.mean(), text=-0.1, within=0.1)
assert found.mean().abs() < 2 * found.std() / len(found) ** 0.5, "not distinguishable from zero"
claim("L24H4 without L23H0", reaction[repaired_one][0][24, 4], text=0.3, within=0.1)
claim("percent shorter without L23H0", 100 * (1 - shrinkage), text=4, within=1)
claim("L23H0, the norm", means[repaired_one]["norm"], text=0.2, within=0.1)
claim("L29H0, measured", effect[OPPOSITE].mean(), text=0.8, within=0.1)
claim("L29H0, predicted", forecast[OPPOSITE].mean(), text=0.7, within=0.1)
largest_random = max(effect[head].mean().abs().item() for head in RANDOM)
claim("largest effect of six random heads", largest_random, text=0.12, within=0.03)

# %% [markdown]
# ## What you found

# %%
plots.table(
    [
        (
            "logit difference; IO above S",
            f"{test['logit_diff'].mean():.1f}; {100 * accuracy['OTHER_NAMES']:.0f}%",
            f"{third['logit_diff'].mean():.1f} with a third name at S2",
            "3.56; 99.3% (Wang et al.)",
        ),
        (
            "without BOS (NAMES)",
            f"{without_bos['logit_diff'].mean():.1f}",
            f"{choose['logit_diff'].mean():.1f} with BOS",
            "",
        ),
        (
            "share of the strongest layer",
            f"{by_part[47].mean():.1f} (attention 23)",
            f"{control_by_part[47].mean():.1f} towards bystanders",
            "",
        ),
        (
            "strongest head",
            f"{head_name(HELPERS[0])} {heads_test[HELPERS[0]].mean():.1f}",
            f"{control_heads[HELPERS[0]].mean():.1f} towards bystanders",
            "L9H9, L9H6, L10H0",
        ),
        (
            "what it does",
            f"looks at S2 ({look[23, 3, 2]:.2f}), lowers S by {-s_up[23, 3].mean():.1f}",
            f"raises IO by {io_up[23, 3].mean():.1f}",
            "they look at IO and raise it",
        ),
        (
            "without it: predicted, measured",
            f"{means[top]['direct (as predicted)']:.1f}, {means[top]['measured']:.1f}",
            f"{largest_random:.2f} at most, six random heads",
            "5% lower without all three name movers",
        ),
        (
            f"without {head_name(silent_one)}",
            f"{means[silent_one]['direct (as predicted)']:.1f}, {means[silent_one]['measured']:.1f}",
            "",
            "compare: S-inhibition heads",
        ),
        (
            f"without {head_name(repaired_one)}",
            f"{means[repaired_one]['direct (as predicted)']:.1f}, {means[repaired_one]['measured']:.1f}",
            "",
            "compare: backup name movers",
        ),
    ],
    columns=[
        "",
        "SmolLM2-135M-Instruct",
        "control",
        "GPT-2 small (from the paper, not measured here)",
    ],
)

# %% [markdown]
# **What did not replicate.** The strongest head is not a name mover but a remover. And no *backup name mover*
# was found, a head that begins to move the name when the movers are gone: here the repair comes from a
# suppressor that suppresses less, and from the norm.
#
# ## Questions to discuss
#
# 1. You use `logit(IO)` in place of the difference. Which heads move up the list, and why? Which of the two is
#    "the" attribution?
# 2. L29H1 and L29H0 have large shares of opposite sign, and without L23H3 both write less. What would you
#    conclude about them from attribution alone?
# 3. Ablate L23H3 *and* L24H4 together. Is the effect the sum of the two? What would each answer tell you?
# 4. All eight groups share one story: someone gives something to someone. Which prompt would you write to tell
#    "remove the name at S2" from "remove the last name"?
#
# ## Common mistakes
#
# - Dividing each part by its own scale. The shares then do not sum, and small parts look large.
# - Forgetting the norm's weight. Some of the weights are negative here, so even signs change.
# - Reading a rise of the *difference* as a rise of the right answer.
# - Averaging over one name order only.
# - Calling a head by a name from a paper before looking where it looks.
#
# ## Where this breaks
#
# Attribution is exact only because the scale is held fixed. It counts the last step of every path and none of
# the others, so early layers look empty. It is relative to a pair of answers: against other names the same head
# has another share. And the mean that replaces a head is a choice as well: these means mix orders and names
# within a template, and each prompt is one of the 30 in its own mean. Other references give other numbers
# (lesson 03).
#
# ## Further reading
#
# - Wang et al. (2022), *Interpretability in the Wild*, arXiv 2211.00593
# - McDougall et al. (2023), *Copy Suppression*, arXiv 2310.04625
# - McGrath et al. (2023), *The Hydra Effect*, arXiv 2307.15771, on self-repair
# - Rushing and Nanda (2024), *Explorations of Self-Repair in Language Models*, arXiv 2402.15390
# - Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*
#
# **Next:** 03 · Activation, path and attribution patching

# %%
progress.show("02")
