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
# # 1.3 · Who moves the name
#
# [![Open lesson 1.3 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/13_direct_logit_attribution.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.2 · How induction is made](12_how_induction_is_made.ipynb) | **Next:** [1.4 · Patching: where does the position go?](14_patching.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/14_patching.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. split a model's preference for one answer over another into what each layer, part and head wrote, exactly;
# 2. say what the final norm does to such a split, and what *folding* it means;
# 3. tell attribution from causation: predict what removing a head does, measure it, and find who made up the
#    difference.
#
# **Time** 90 minutes. **Needs** lessons 00 and 1.1: the residual stream as a sum, the logit lens, mean ablation.
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
from collections import Counter
from dataclasses import replace

import torch
from scipy.stats import spearmanr
from jaxtyping import Float, Int
from torch import Tensor

from data.ioi import task as ioi
from utils.circuits import figures
from utils import plots
from utils.checks import lesson_13
from utils.lesson import claim
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
# `data.ioi.task` makes such prompts: four templates, both orders of the two names in the opening, random places and
# things, and two sets of ten names. The course's rule again: heads are *chosen* on `NAMES`; what is reported
# about them is *measured* on `OTHER_NAMES`.
#
# What to measure? Not the probability of IO: that also moves when the model doubts whether a name is wanted at
# all. The **logit difference** is `logit(IO) - logit(S)`: everything that pushes both names alike cancels. It
# is also the log of how many times more probable IO is than S. Above 0, the model prefers the right name.
#
# ### Exercise 1 · the logit difference (5 minutes, easy)


# %% tags=["exercise:utils.circuits.attribution.logit_diff"]
def logit_diff(
    logits: Float[Tensor, "batch pos d_vocab"],
    right: Int[Tensor, " batch"],
    wrong: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """logit(right) - logit(wrong) at the last position.

    Args:
        right, wrong: token ids on the device of the logits; each row has its own pair.
    """
    ### BEGIN SOLUTION
    last, rows = logits[:, -1], torch.arange(len(right), device=logits.device)
    return last[rows, right] - last[rows, wrong]
    ### END SOLUTION


# %% tags=["check"]
logit_diff = lesson_13.check_logit_diff(logit_diff)

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
#
# The next cell draws the prompts, runs the model and collects what later sections need. You may skip it now.

# %%
from utils.circuits.attribution import join_runs, norm_scale
from utils.circuits.residual import residual_parts

N_EACH = 15
ROLES = ("IO", "S1", "S2", "END", "BOS")
KEEP = ("hook_embed", "hook_attn_out", "hook_mlp_out", "hook_z", "hook_pattern")


def kept(name: str) -> bool:
    return name.endswith(KEEP)


def draw(names, *, bos: bool = True) -> list[list[ioi.Prompts]]:
    """For each template a pair: prompts with IO named first, and with S named first."""
    generator = torch.Generator().manual_seed(0)
    ways = {"generator": generator, "names": names, "bos": bos}
    return [
        [ioi.prompts(model, N_EACH, template=t, io_first=order, **ways) for order in (True, False)]
        for t in range(len(ioi.TEMPLATES))
    ]


def in_one(pair: list[ioi.Prompts], name: str) -> torch.Tensor:
    return torch.cat([getattr(p, name) for p in pair])


def at_end(pair: list[ioi.Prompts], logits, cache) -> dict:
    """What the lesson needs of a run, all at END: vectors [batch], the rest [..., batch, ...]."""
    layers = range(cfg.n_layers)
    parts = residual_parts(cache, cfg.n_layers)[:, :, -1]
    patterns = torch.stack([cache["pattern", layer][:, :, -1] for layer in layers])
    roles = [[p.positions.get(role, 0) for role in ROLES] for p in pair for _ in p.io]
    roles = torch.tensor(roles, device=logits.device)[None, :, None]
    return {
        "parts": parts,
        "scale": norm_scale(parts.sum(0), cfg.eps),  # section 2 says what it is for
        "z": torch.stack([cache["z", layer][:, -1] for layer in layers]),
        "attention": patterns.gather(-1, roles.expand(*patterns.shape[:3], -1)),
        "logit_diff": logit_diff(logits, in_one(pair, "io"), in_one(pair, "s")),
        "first_choice": logits[:, -1].argmax(-1),
        **{name: in_one(pair, name) for name in ("io", "s", "spare")},
    }


@torch.no_grad()
def measure(pairs: list[list[ioi.Prompts]]) -> dict:
    """`at_end` of whole runs over all prompts."""

    def run(pair):
        return model.run_with_cache(in_one(pair, "tokens"), names_filter=kept)

    return join_runs([at_end(pair, *run(pair)) for pair in pairs])


def show(values: torch.Tensor) -> str:
    """Mean over prompts, and two standard errors."""
    return f"{values.mean():z.2f} ± {2 * values.std() / len(values) ** 0.5:.2f}"


chosen_on, tested_on = draw(ioi.NAMES), draw(ioi.OTHER_NAMES)
choose, test = measure(chosen_on), measure(tested_on)
without_bos = measure(draw(ioi.NAMES, bos=False))
third = measure([[p.third_name() for p in pair] for pair in tested_on])
print(*(p.texts[0] for p in tested_on[0]), sep="\n")

# %%
columns = {
    "NAMES": choose,
    "NAMES, no BOS": without_bos,
    "OTHER_NAMES": test,
    "OTHER_NAMES, S2 is a third name (control)": third,
}
rows = []
for i in range(8):
    names = ("S", "IO") if i % 2 else ("IO", "S")
    opening = ioi.TEMPLATES[i // 2].split(" the ")[0].format(*names)
    means = [run["logit_diff"].view(8, N_EACH)[i].mean() for run in columns.values()]
    rows.append((f"{opening} the ..., S2 gave", *(f"{mean:z.1f}" for mean in means)))
rows.append(("all 120", *(show(run["logit_diff"]) for run in columns.values())))
accuracy = {name: (run["logit_diff"] > 0).float().mean() for name, run in columns.items()}
rows.append(("IO above S", *(f"{share:.3f}" for share in accuracy.values())))
first_choice = {name: (r["first_choice"] == r["io"]).float().mean() for name, r in columns.items()}
rows.append(("IO is first choice of all", *(f"{share:.2f}" for share in first_choice.values())))
strays = choose["first_choice"][choose["first_choice"] != choose["io"]].tolist()
words = Counter(model.tokenizer.decode([i]) for i in strays)
print("first choices other than IO, on NAMES:", dict(words.most_common()))
plots.table(rows, columns=["logit difference, by template and order", *columns])

# %% [markdown]
# The model passes. On `NAMES` the difference is **3.7** with BOS and **4.5** without: IO is some forty to
# ninety times as probable as S. It prefers the right name in **99%** of the prompts either way, and on the
# other ten names too, where the difference is **3.8**. GPT-2 small scores `3.56` and `99.3%` on the paper's own
# prompts, so this is a comparable student.
#
# Mind what the difference does *not* say. IO is the first choice of *all* 49,152 tokens in **75%** of these
# prompts; most of the others go on with ` the`. Without BOS it is **95%**.
#
# With a third name at S2 the difference is **-0.1** on average. But look down that column: it is **-0.8** where
# IO is named first and **0.6** where it is named second. With nothing else to go by, in three of the four
# templates the model leans towards the name it heard last. Hence both orders. And the templates differ a lot,
# so an interval here (mean ± two standard errors over prompts) speaks for *these* templates only. From here on
# BOS is in front; whenever you report a number, say so.

# %% tags=["numbers"]
by_template = third["logit_diff"].view(4, 2, N_EACH).mean(-1)
by_order = by_template.mean(0)
claim("logit difference, NAMES", choose["logit_diff"].mean(), text=3.7, within=0.1)
claim("logit difference without BOS", without_bos["logit_diff"].mean(), text=4.5, within=0.1)
claim("percent right, NAMES", 100 * accuracy["NAMES"], text=99, within=1)
assert min(list(accuracy.values())[:3]) > 0.98
claim("logit difference, OTHER_NAMES", test["logit_diff"].mean(), text=3.8, within=0.1)
claim("percent first choice", 100 * first_choice["NAMES"], text=75, within=3)
claim("percent first choice, no BOS", 100 * first_choice["NAMES, no BOS"], text=95, within=3)
assert words[" the"] > len(strays) / 2
claim("logit difference, third name", third["logit_diff"].mean(), text=-0.1, within=0.05)
claim("third name, IO named first", by_order[0], text=-0.8, within=0.1)
claim("third name, IO named second", by_order[1], text=0.6, within=0.1)
assert ((by_template[:, 1] - by_template[:, 0]) > 1).sum() == 3
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
# (Two asides. GPT-2's *LayerNorm* also subtracts the mean of `x` and adds a bias; both can be folded too. And
# this model's `W_U` is its embedding, so a folded copy is a copy for analysis.)
#
# ### Exercise 2 · the direction (10 minutes, easy)


# %% tags=["exercise:utils.circuits.attribution.logit_diff_direction"]
def logit_diff_direction(
    W_U: Float[Tensor, "d_model d_vocab"],
    norm_weight: Float[Tensor, " d_model"],
    right: Int[Tensor, " batch"],
    wrong: Int[Tensor, " batch"],
) -> Float[Tensor, "batch d_model"]:
    """For each prompt the direction d such that (x / scale) · d is the logit difference.

    Args:
        W_U: not folded: the norm's weight is not in it.
        norm_weight: the final norm's weight.
        right, wrong: token ids.
    """
    ### BEGIN SOLUTION
    return norm_weight * (W_U[:, right] - W_U[:, wrong]).T
    ### END SOLUTION


# %% tags=["check"]
logit_diff_direction = lesson_13.check_logit_diff_direction(logit_diff_direction)

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
W_U, norm_weight = model.W_U.detach(), model.ln_final.weight.detach()
folded = norm_weight[:, None] * W_U  # by hand: one matrix


def direction_of(run: dict) -> torch.Tensor:
    return logit_diff_direction(W_U, norm_weight, run["io"], run["s"])


direction = direction_of(test)
final = test["parts"].sum(0)  # the whole stream at END, [batch, d_model]
normed = final / test["scale"][:, None]
group = tested_on[0][0]  # the first 15 prompts
with torch.no_grad():
    models_own = model(group.tokens)[:, -1]
logits_gap = (normed[:N_EACH] @ folded - models_own).abs().max().item()
diff_gap = ((normed * direction).sum(-1) - test["logit_diff"]).abs().max().item()
unfolded = (normed * (W_U[:, test["io"]] - W_U[:, test["s"]]).T).sum(-1)
unfolded_gap = (unfolded - test["logit_diff"]).abs().max().item()
print(f"largest error of any logit, folded by hand:       {logits_gap:.1e}")
print(f"largest error of the difference by the direction: {diff_gap:.1e}")
print(f"the same with the weights forgotten (control):    {unfolded_gap:.1e}")

# %% tags=["numbers"]
assert logits_gap < 1e-3 and diff_gap < 1e-3, "folding must not change the logits"
assert norm_weight.min() < 0, "some weights turn the sign"
claim("largest error with the weights forgotten", unfolded_gap, text=5.8, within=0.2)

# %% [markdown]
# Folded by hand, all 49,152 logits agree with the model's to the last digits that the arithmetic carries.
# Forget the weights, and the difference is off by up to **5.8**.
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
# name. Still measured along the original direction, the line should turn over. And the difference of two
# **bystanders**, names which do not stand in the prompt; all 28 pairs. No bystander is right, so their mean
# is near zero whatever the model does: compare *sizes*, sign left off.

# %%
FROM_LAYER = 15
name_ids = torch.cat([test["io"], test["s"]]).unique()  # all ten names
present = torch.stack([test["io"], test["s"]], dim=1)
absent = torch.stack([name_ids[~torch.isin(name_ids, row)] for row in present])  # [batch, 8]
swapped = measure([[p.swapped() for p in group] for group in tested_on])


def after_each_layer(run: dict, towards: torch.Tensor, scale=None) -> torch.Tensor:
    """Logit difference after the embedding and each layer, [1+layer, batch].

    `scale` is each stage's own unless one is given.
    """
    stream = run["parts"].cumsum(0)[::2]
    return (stream * towards).sum(-1) / (norm_scale(stream, cfg.eps) if scale is None else scale)


def size_towards_bystanders(measured) -> torch.Tensor:
    """Mean size, over all 28 pairs, of the difference that `measured(direction)` makes."""
    each = torch.stack([measured(folded[:, name].T) for name in absent.T])
    one, other = torch.combinations(torch.arange(len(each))).T
    return (each[one] - each[other]).abs().mean(0)


lens = after_each_layer(test, direction)
running = after_each_layer(test, direction, scale=test["scale"])
lens_swapped = after_each_layer(swapped, direction)
sizes = lens.abs().mean(1)
sizes_bystanders = size_towards_bystanders(lambda d: after_each_layer(test, d)).mean(1)
shown = slice(1 + FROM_LAYER, None)
plots.lines(
    {
        "the stream so far, on the final scale": running.mean(1)[shown],
        "logit lens: each layer's own scale": lens.mean(1)[shown],
        "lens, swapped prompts (control)": lens_swapped.mean(1)[shown],
    },
    at=range(FROM_LAYER, cfg.n_layers),
    title="The answer appears in one layer, 23, and the lens makes it look larger than it is",
    x="after layer",
    y="mean logit difference",
)

# %% [markdown]
# At once. After layer 22 the lens reads **0.0**, after layer 23 it reads **8.7**. Swap the prompt and it turns
# over: **-8.7**.
#
# That **0.0** is a *mean*. On single prompts the lens after layer 22 is plus or minus **5.7**, and as much
# (**5.6**) between two bystanders: a liking for one name over another, which averages out because each name is
# about as often IO as S. Original and swapped prompts give nearly the same value there, so what the lens shows
# before layer 23 is about the names, not about who gives. In layer 23 the size grows to **9.9**; between
# bystanders it stays.
#
# And then the lens says something odd: the model seems to become *less* sure, down to **3.8** at the end. Look
# at the first line, the same running sum on one scale for all, the final one. It jumps to **3.6**, loses about
# a third of that in layer 24, and wins it back. So most of the fall is the divisor, not lost evidence. The
# stream grew longer: its scale at END goes from **17** after layer 23 to **42** at the end, and each stage of
# the lens is divided by its own. *A lens answers "what if the model stopped here"; it does not say how much
# each layer adds.* For that, put everything on the final scale.

# %% tags=["numbers"]
scales = norm_scale(test["parts"].cumsum(0)[::2], cfg.eps).mean(1)
claim("lens after layer 22", lens[23].mean(), text=0.0, within=0.1)
claim("lens after layer 23", lens[24].mean(), text=8.7, within=0.2)
claim("lens after layer 23, swapped", lens_swapped[24].mean(), text=-8.7, within=0.2)
claim("size of the lens after layer 22", sizes[23], text=5.7, within=0.1)
claim("the same, bystanders", sizes_bystanders[23], text=5.6, within=0.1)
claim("size of the lens after layer 23", sizes[24], text=9.9, within=0.1)
assert len(name_ids) == 10 and abs(sizes_bystanders[24] - sizes_bystanders[23]) < 0.3
for a_name in name_ids:  # how often a name is IO, and how often S
    assert 6 <= (test["io"] == a_name).sum() <= 18 and 6 <= (test["s"] == a_name).sum() <= 18
assert (lens - lens_swapped)[:23].abs().mean() < sizes[:23].mean() / 10, "prompt by prompt"
claim("lens at the end", lens[-1].mean(), text=3.8, within=0.1)
claim("running sum after layer 23", running[24].mean(), text=3.6, within=0.1)
assert 0.6 < running[25:].mean(1).min() / running[24].mean() < 0.75
claim("scale after layer 23", scales[24], text=17, within=1)
claim("scale at the end", scales[-1], text=42, within=1)

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
# ### Exercise 3 · attribution (10 minutes, easy)


# %% tags=["exercise:utils.circuits.attribution.direct_logit_attribution"]
def direct_logit_attribution(
    parts: Float[Tensor, "part batch d_model"],
    direction: Float[Tensor, "batch d_model"],
    scale: Float[Tensor, " batch"],
) -> Float[Tensor, "part batch"]:
    """What each part adds to the logit difference, in logits.

    Args:
        parts: what was written into the stream. If they sum to the whole of it, the attributions
            sum to the logit difference.
        direction: with the final norm's weight folded in.
        scale: what the final norm divides by, of the whole stream.
    """
    ### BEGIN SOLUTION
    return (parts * direction).sum(-1) / scale
    ### END SOLUTION


# %% tags=["check"]
direct_logit_attribution = lesson_13.check_direct_logit_attribution(direct_logit_attribution)

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
by_part = direct_logit_attribution(test["parts"], direction, test["scale"])
sum_gap = (by_part.sum(0) - test["logit_diff"]).abs().max().item()
print(f"{len(by_part)} parts; their sum misses the logit difference by at most {sum_gap:.1e}")
control_by_part = size_towards_bystanders(
    lambda d: direct_logit_attribution(test["parts"], d, test["scale"])
)
plots.lines(
    {
        "attention": by_part[1::2].mean(1),
        "MLP": by_part[2::2].mean(1),
        "attention: size, sign left off": by_part[1::2].abs().mean(1),
        "attention: size towards bystanders (control)": control_by_part[1::2].mean(1),
    },
    title="The attention of layer 23 writes nearly all of the difference",
    x="layer",
    y="share of the logit difference",
)

# %% [markdown]
# The 61 shares sum to the difference, prompt by prompt. The attention of layer 23 alone writes **3.5**, and the
# whole difference is **3.8**. The next attention layer takes **1.0** *away*; the MLPs together add **0.9**, no
# single one much. So shares are signed: do not read them as percentages.
#
# Towards two bystanders layer 23 writes something too, now for one, now for the other: **0.7** in size, against
# **3.6**.
#
# ### The library's version
#
# TransformerLens has this. It wants the norm folded, so it gets a *copy* of its own:
# `enable_compatibility_mode()` folds each norm's weight into the matrices after it, **in place**. It also
# subtracts from each row of `W_U` its mean, which moves all logits of a position by the same amount. *Predict
# first:* will that change the logit difference?

# %%
from transformer_lens.tools.analysis import direct_logit_attribution as library_attribution

folded_model = load()
folded_model.enable_compatibility_mode(disable_warnings=True)
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
assert share[2::2].abs().max() < 0.5
claim("size, attention 23", by_part[47].abs().mean(), text=3.6, within=0.1)
claim("size towards bystanders", control_by_part[47].mean(), text=0.7, within=0.1)
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
# ### Exercise 4 · what each head writes (10 minutes, easy)


# %% tags=["exercise:utils.circuits.attribution.head_outputs"]
def head_outputs(
    z: Float[Tensor, "batch head d_head"], W_O: Float[Tensor, "head d_head d_model"]
) -> Float[Tensor, "head batch d_model"]:
    """What each head of one layer writes into the stream; together, what the attention writes.

    This holds where attention has no output bias, as in Llama-like models.

    Args:
        z: of one layer's heads, at one position.
        W_O: the heads' output matrices.
    """
    ### BEGIN SOLUTION
    return torch.einsum("bhe,hed->hbd", z, W_O)
    ### END SOLUTION


# %% tags=["check"]
head_outputs = lesson_13.check_head_outputs(head_outputs)

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
from utils.circuits.attribution import head_attributions
from utils.heads import head_name, top_heads

W_O = model.W_O.detach()  # [layer, head, d_head, d_model]


def by_head(run: dict, towards: torch.Tensor) -> torch.Tensor:
    """Attribution of each head, [layer, head, batch]: exercises 3 and 4, for all layers."""
    return head_attributions(run["z"], W_O, towards, run["scale"])


heads_choose, heads_test = by_head(choose, direction_of(choose)), by_head(test, direction)
assert (heads_test.sum(1) - by_part[1::2]).abs().max() < 1e-3, "heads sum to their attention"
plots.heatmap(
    heads_test.mean(-1),
    title="A few late heads write the difference, and two of them write against it",
    x="head",
    y="layer",
    label="share:<br>+ for IO,<br>- for S",
    signed=True,
    text=figures.named_heads(heads_test.mean(-1).abs(), 5),
)

# %% tags=["nbval-check-output"]
HELPERS = top_heads(heads_choose.mean(-1), 3)
HINDERERS = top_heads(-heads_choose.mean(-1), 2)
print("for IO, chosen on NAMES:", [head_name(head) for head in HELPERS])
print("for S, chosen on NAMES: ", [head_name(head) for head in HINDERERS])

# %%
heads_bystanders = size_towards_bystanders(lambda d: by_head(test, d))
heads_without_bos = by_head(without_bos, direction_of(without_bos))
rows = [
    (
        head_name(head),
        *(show(found[head]) for found in (heads_choose, heads_without_bos, heads_test)),
        *(show(found[head].abs()) for found in (heads_test, heads_bystanders)),
    )
    for head in HELPERS + HINDERERS
]
columns = ["head", "NAMES (chosen)", "NAMES, no BOS", "OTHER_NAMES", "size", "size, bystanders"]
plots.table(rows, columns=columns)

# %% [markdown]
# **L23H3** writes **2.3**, of a difference of **3.8**. L29H1 adds **1.0**, L23H0 **0.6**. And two heads write
# *against* the right answer: L29H0 (**-0.7**) and L24H4 (**-0.6**). The signs hold on names that these heads
# were not chosen on, and without BOS. Sizes need not: without BOS, L24H4 goes from **-0.4** to **-1.0**.
#
# The control: between two bystanders the same heads write a fifth to two fifths as much as between IO and S.
# Most heads write nothing of the sort: the median share, in absolute value, is **0.002** of a logit.

# %% tags=["numbers"]
mean_share = heads_test.mean(-1)
claim("share of L23H3", mean_share[23, 3], text=2.3, within=0.1)
claim("share of L29H1", mean_share[29, 1], text=1.0, within=0.1)
claim("share of L23H0", mean_share[23, 0], text=0.6, within=0.1)
claim("share of L29H0", mean_share[29, 0], text=-0.7, within=0.1)
claim("share of L24H4", mean_share[24, 4], text=-0.6, within=0.1)
claim("L24H4 on NAMES", heads_choose[24, 4].mean(), text=-0.4, within=0.1)
claim("L24H4 on NAMES without BOS", heads_without_bos[24, 4].mean(), text=-1.0, within=0.1)
claim("median share, in absolute value", mean_share.abs().median(), text=0.002, within=0.001)
assert top_heads(heads_without_bos.mean(-1), 3) == HELPERS
assert set(top_heads(-heads_without_bos.mean(-1), 2)) == set(HINDERERS)
for head in HELPERS + HINDERERS:
    ratio = heads_bystanders[head].mean() / heads_test[head].abs().mean()
    assert 0.2 < ratio < 0.4

# %% [markdown]
# ## 6. Are these name movers?
#
# The paper's story for GPT-2 small: **name movers** look from END to IO and copy that name to the output.
# *Predict first:* where does L23H3, our strongest head, look? At IO?

# %%
ATTENDED = HELPERS + HINDERERS
look = test["attention"].mean(1)  # [layer, head, role]
rows = [(head_name(head), look[head]) for head in ATTENDED]
rows.append(("mean of all 270 heads", look.mean((0, 1))))
plots.table(
    [(name, *(f"{a:.2f}" for a in row), f"{1 - row.sum():.2f}") for name, row in rows],
    columns=["END looks at", *ROLES, "elsewhere"],
)

# %% [markdown]
# L23H3 does not look at IO (**0.05**). It looks at **S2**, the name to *avoid*: **0.60** of its attention. So
# how can it favour IO?
#
# The logit difference cannot tell: it rises when IO goes up, and just as much when S goes *down*. So take it
# apart: measure each name against the mean of the eight *absent* names. Both are again directions. (The mean
# takes off what moves all names alike; without it, "up" would mean nothing.)

# %%
mean_absent = folded[:, absent].mean(-1).T  # [batch, d_model]
to_io, to_s = [folded[:, test[name]].T - mean_absent for name in ("io", "s")]
assert (to_io - to_s - direction).abs().max() < 1e-4, "IO's and S's make up the old direction"
io_up, s_up = by_head(test, to_io), by_head(test, to_s)
lens_names = [after_each_layer(test, d).mean(1) for d in (to_io, to_s)]
movers = [(23, h) for h in range(cfg.n_heads) if h != 3]
others_io, others_s = [sum(found[head] for head in movers) for found in (io_up, s_up)]
whole = [direct_logit_attribution(test["parts"], d, test["scale"]).sum(0) for d in (to_io, to_s)]
rows = [(head_name(head), show(io_up[head]), show(s_up[head])) for head in ATTENDED]
rows.append(("the 8 other heads of layer 23, together", show(others_io), show(others_s)))
rows.append(("the whole model", *map(show, whole)))
rows += [
    (f"logit lens after layer {layer}", *(f"{up[1 + layer]:.2f}" for up in lens_names))
    for layer in (22, 23)
]
plots.table(rows, columns=["raises, against the absent names", "IO", "S"])

# %% [markdown]
# L23H3 hardly touches IO (**-0.2**) and pushes S down by **2.4**. It is no name mover. It is a **name
# remover**: it looks at a name and lowers that very name.
#
# The rest of layer 23 does the moving: together the other eight heads raise IO by **4.2**, and S by **2.9**.
# L23H0 looks at IO and raises it (**1.2**); that is a name mover as in the book. So layer 23 as a whole, as a
# hypothesis: *bring up the names of the prompt, and take off the one who gives*. The movers bring the *logit*;
# the remover brings most of the *difference*. Which of them "does the task" depends on what you measure.
#
# L24H4 is a remover as well, but it looks at IO (**0.61**) and lowers it (**-1.2**), so it hurts. GPT-2 has
# such heads too, *negative name movers*, and McDougall and colleagues explain them as **copy suppression**:
# whatever is about to be said and already stands in the text is pushed down a little. That fits L24H4. L23H3
# only resembles one: after layer 22 neither name stands out much (the lens has S at **0.6** and IO at **0.6**;
# after layer 23 IO is at **10.5**), and the movers work beside it, where it cannot see them.
#
# And L29H1 and L29H0? About half of their attention goes to END itself, and next to none to the names. Perhaps
# they *echo*: one makes louder what already stands at END, the other softer. That is a guess.
#
# ### Control: a third name at S2
#
# Is the remover after the name that came *twice*? Put a third name at S2. Nothing comes twice now.

# %%
rest = torch.stack([row[row != x] for row, x in zip(absent, third["spare"], strict=True)])
mean_rest = folded[:, rest].mean(-1).T
look_third = third["attention"].mean(1)
remover = {
    name: by_head(third, folded[:, third[key]].T - mean_rest)[23, 3]
    for name, key in [("the third name", "spare"), ("IO", "io"), ("S", "s")]
}
usual = {"S": s_up[23, 3], "IO": io_up[23, 3]}
plots.table(
    [
        (who, f"{means[23, 3, 2]:.2f}", name, show(raised))
        for who, means, found in [("S", look, usual), ("a third name", look_third, remover)]
        for name, raised in found.items()
    ],
    columns=["at S2", "L23H3's attention to S2", "name", "L23H3 raises it by"],
)

# %% [markdown]
# It still looks at S2 (**0.37**) and still takes **1.8** off the name there, though that name came only once.
# From the other two it takes **0.4** each. So "it came twice" is not the condition, only a help. "The giver is
# not the receiver" would fit, and "remove the last name" would fit as well (question 4). A head's name is a
# hypothesis.

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
claim("lens on IO after layer 22", lens_names[0][23], text=0.6, within=0.1)
claim("lens on S after layer 22", lens_names[1][23], text=0.6, within=0.1)
claim("lens on IO after layer 23", lens_names[0][24], text=10.5, within=0.2)
assert look[23, 0].argmax() == look[24, 4].argmax() == 0
assert 0.4 < look[29, 1, 3] < look[29, 0, 3] < 0.6, "L29H1 and L29H0 look at END"
assert look[29, :2, :3].max() < 0.03, "and not at the names"
claim("L23H3 to S2, third name", look_third[23, 3, 2], text=0.37, within=0.03)
claim("L23H3 on the third name", remover["the third name"].mean(), text=-1.8, within=0.1)
claim("L23H3 on IO, third name at S2", remover["IO"].mean(), text=-0.4, within=0.1)
claim("L23H3 on S, third name at S2", remover["S"].mean(), text=-0.4, within=0.1)

# %% [markdown]
# ## 7. Attribution is not causation
#
# Attribution says what a head *wrote*. It does not say what would happen *without* the head: later parts read
# what it wrote, and react.
#
# So make the claim testable. In place of a head's output at END comes its mean over the prompts of the
# template, both name orders mixed: "some name or other", and little about this prompt. If no later part reacts
# and the scale stays, the difference changes by exactly the change of the head's own share: the **direct
# effect**. That is the prediction which attribution makes.
#
# ### Exercise 5 · what attribution predicts (10 minutes, medium)


# %% tags=["exercise:utils.circuits.attribution.predicted_effect"]
def predicted_effect(
    written: Float[Tensor, "batch d_model"],
    direction: Float[Tensor, "batch d_model"],
    scale: Float[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Change of the logit difference if a head wrote its mean over the batch instead, and nothing
    else changed: no later component, and not the scale.

    This is the *direct* effect of mean ablation.

    Args:
        written: what the head writes.
        direction: with the final norm's weight folded in.
        scale: what the final norm divides by, of the whole stream.
    """
    ### BEGIN SOLUTION
    return ((written.mean(0) - written) * direction).sum(-1) / scale
    ### END SOLUTION


# %% tags=["check"]
predicted_effect = lesson_13.check_predicted_effect(predicted_effect)

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
# Now measure it. Only END changes, and earlier positions cannot see it. So their keys and values are kept, and
# only END runs again (`run_last`): some fifteen times less work.
#
# To choose heads we sweep all 135 heads of layers 15 to 29 on `NAMES`. (The lower half of the model has next to
# no attribution.) *Predict first:* draw the scatter of measured against predicted. How close to the diagonal?

# %%
from utils.circuits.attribution import effects_of_each_head, keep_before_last, run_last


def prepare(pairs: list[list[ioi.Prompts]]) -> list[tuple]:
    """Each pair of prompts, with the keys and values before END."""
    return [(pair, keep_before_last(model, in_one(pair, "tokens"))) for pair in pairs]


def rerun(prepared: list[tuple], heads=()) -> dict:
    """`at_end` of a run of END alone, with `heads` mean-ablated there."""

    def run(before):
        return run_last(model, before, heads=heads, names_filter=kept)

    return join_runs([at_end(pair, *run(before)) for pair, before in prepared])


def forecasts(run: dict, n: int) -> torch.Tensor:
    """`predicted_effect` of each head, [layer, head, batch]; n prompts share a mean."""
    parts = run["z"].split(n, 1), direction_of(run).split(n), run["scale"].split(n)
    changes = [
        head_attributions(z.mean(1, keepdim=True) - z, W_O, *way)
        for z, *way in zip(*parts, strict=True)
    ]
    return torch.cat(changes, -1)


N_SWEEP = 6  # of each template and order: 48 prompts
FIELDS = ("tokens", "io", "s", "spare")
few = [
    [replace(p, **{name: getattr(p, name)[:N_SWEEP] for name in FIELDS}) for p in pair]
    for pair in chosen_on
]
prepared = prepare(few)
predicted = forecasts(rerun(prepared), 2 * N_SWEEP)[FROM_LAYER:].mean(-1).cpu()
effects = [
    effects_of_each_head(
        model,
        before,
        lambda logits, pair=pair: logit_diff(logits, in_one(pair, "io"), in_one(pair, "s")),
        layers=range(FROM_LAYER, cfg.n_layers),
    )
    for pair, before in prepared
]
measured = torch.cat(effects, dim=-1).mean(-1).cpu()

# %%
every = [(layer, h) for layer in range(FROM_LAYER, cfg.n_layers) for h in range(cfg.n_heads)]
x, y = predicted.flatten(), measured.flatten()
place = dict(zip(every, zip(x.tolist(), y.tolist(), strict=True), strict=True))
label = {h: head_name(h) + ("*" if h[0] == cfg.n_layers - 1 else "") for h in every}
plots.scatter(
    {label[h]: place[h] for h in every},
    named=[label[h] for h in every if max(map(abs, place[h])) > 0.25],
    diagonal="nothing reacts: measured = predicted",
    title="Prediction and effect agree for some heads; L20H0 and L23H0 lie far off the line",
    x="predicted change, negative for a helper (* stands in the last layer)",
    y="measured change",
)

# %% [markdown]
# Over the 135 heads the correlation is **0.90**: impressive, until you notice that three heads make it, L23H3
# and two of layer 29, where a single MLP is left to react, so that they can hardly miss. The correlation of the
# *ranks*, in which every head counts alike, is **0.36**. The dots off the diagonal are the interesting ones.
# Two kinds:
#
# - **No attribution, large effect.** L20H0 writes nothing towards either name, and without it the difference
#   changes by **-0.8**.
# - **Attribution, no effect.** L23H0, the name mover as in the book: predicted **-0.5**, and the difference does
#   not fall at all. L23H2 beside it is the same.
#
# Pick by a rule, on `NAMES`: the head predicted to hurt most when removed; the head of largest effect among
# those predicted below `0.05` in size; and, among heads predicted to hurt whose real effect is less than half of
# that, the one with the largest shortfall.

# %% tags=["nbval-check-output"]
silent = torch.where(x.abs() < 0.05, y.abs(), torch.zeros(()))
shortfall = torch.where((x < 0) & (y > x / 2), y - x, torch.zeros(()))
PICKED = [every[int(scores.argmax())] for scores in (-x, silent, shortfall)]
print("hurts most, silent, credited but not needed:", [head_name(head) for head in PICKED])

# %% tags=["numbers"]
correlation = torch.corrcoef(torch.stack([x, y]))[0, 1]
of_ranks = spearmanr(x, y).statistic
claim("correlation over 135 heads", correlation, text=0.90, within=0.03)
claim("correlation of the ranks", of_ranks, text=0.36, within=0.03)
assert set(top_heads(predicted.abs(), 3)) == {(23 - FROM_LAYER, 3), (14, 0), (14, 1)}
claim("L20H0 on NAMES, measured", place[20, 0][1], text=-0.8, within=0.1)
claim("L23H0 on NAMES, predicted", place[23, 0][0], text=-0.5, within=0.1)
assert place[23, 0][1] > -0.05 and abs(place[20, 0][0]) < 0.05
assert place[23, 2][0] < -0.2 and place[23, 2][1] > -0.05
rest = [i for i, head in enumerate(every) if head not in [(23, 3), (29, 0), (29, 1)]]
assert len(rest) == 132 and torch.corrcoef(torch.stack([x[rest], y[rest]]))[0, 1] < 0.35
assert heads_choose.mean(-1)[:FROM_LAYER].abs().max() < 0.05, "the lower half has no attribution"

# %% [markdown]
# ## 8. Who made up the difference?
#
# Now the three, on `OTHER_NAMES`, all 120 prompts, with the full account. The change of the logit difference
# has three sources:
#
# - **direct**: the ablated part's own share;
# - **later parts**: each of them may write something else now;
# - **the norm**: the stream has another length, so *everything* is divided by another scale. This is the second
#   thing that folding cannot remove.
#
# A convention is needed, since all three happen at once. Ours: first the parts change, and the *old* scale
# stays; then the scale changes. (The other order also sums.) All shares together must be the whole change.
# Compute the norm's share from the streams and the scales, not as the remainder: then that is a test.
#
# ### Exercise 6 · the account (15 minutes, medium)


# %% tags=["exercise:utils.circuits.attribution.ablation_split"]
def ablation_split(
    before: Float[Tensor, "part batch d_model"],
    after: Float[Tensor, "part batch d_model"],
    direction: Float[Tensor, "batch d_model"],
    scale_before: Float[Tensor, " batch"],
    scale_after: Float[Tensor, " batch"],
) -> tuple[Float[Tensor, "part batch"], Float[Tensor, " batch"]]:
    """Each part's share of an ablation's effect, and the norm's share.

    Each part's change is counted at the scale of the run before; what the new scale does is the
    norm's share. All shares sum to the change of the logit difference. Sources: McGrath et al.,
    2023 (arXiv 2307.15771); Rushing and Nanda, 2024 (arXiv 2402.15390), on the norm.

    Args:
        before, after: all parts of the stream, without and with the ablation.
        direction: with the final norm's weight folded in.
        scale_before, scale_after: what the final norm divides by, of the whole stream.
    """
    ### BEGIN SOLUTION
    by_part = ((after - before) * direction).sum(-1) / scale_before
    projected = (after.sum(0) * direction).sum(-1)
    return by_part, projected / scale_after - projected / scale_before
    ### END SOLUTION


# %% tags=["check"]
ablation_split = lesson_13.check_ablation_split(ablation_split)

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
prepared = prepare(tested_on)
before = rerun(prepared)
assert (before["logit_diff"] - test["logit_diff"]).abs().max() < 1e-3, "as in the whole run"
forecast = forecasts(before, 2 * N_EACH)
DIRECTIONS = {"difference": direction, "IO": to_io, "S": to_s}


def account(heads: list[tuple[int, int]]) -> dict:
    """What changes without some heads of one layer: by source, and by later head."""
    after, own = rerun(prepared, heads), 1 + 2 * heads[0][0]  # `own`: their attention's part
    scales = before["scale"], after["scale"]
    sources, reaction = {}, {}
    for name, towards in DIRECTIONS.items():
        by_source, norm = ablation_split(before["parts"], after["parts"], towards, *scales)
        sources[name] = {
            "measured": by_source.sum(0) + norm,
            "direct (as predicted)": by_source[own],
            "later attention": by_source[own + 2 :: 2].sum(0),
            "later MLPs": by_source[own + 1 :: 2].sum(0),
            "norm": norm,
        }
        # Each later head's new share minus its old one, on the old scale.
        changed = {"z": after["z"] - before["z"], "scale": before["scale"]}
        reaction[name] = by_head(changed, towards).mean(-1).cpu()
        reaction[name][heads[0][0]] = 0
    total, found = after["logit_diff"] - before["logit_diff"], sources["difference"]
    assert (found["measured"] - total).abs().max() < 1e-3, "the account must add up"
    direct = sum(forecast[head] for head in heads)
    assert (found["direct (as predicted)"] - direct).abs().max() < 1e-3
    shrinkage = 1 - (scales[1] / scales[0]).mean().item()
    return {"sources": sources, "reaction": reaction, "after": after, "shrinkage": shrinkage}


def told(what: str, found: dict, n: int = 4):
    """A table of the sources, and of the n later heads that react most."""
    sources, reaction = found["sources"], found["reaction"]
    rows = [(source, *(show(sources[d][source]) for d in sources)) for source in sources["IO"]]
    rows += [
        (f"... of which {head_name(h)}", *(f"{reaction[d][h]:z.2f}" for d in reaction))
        for h in top_heads(reaction["difference"].abs(), n)
    ]
    return plots.table(rows, columns=[f"change without {what}", "logit difference", "IO", "S"])


accounts = {head: account([head]) for head in PICKED}
told("L23H3", accounts[23, 3], 3)

# %% [markdown]
# **L23H3**: predicted **-2.2**, measured **-2.1**. (Its share was **2.3**; but each prompt is a thirtieth of the
# mean that replaces it.) Nearly as predicted, and yet a lot happens underneath. L24H4 gives back **0.6**: it
# writes less against IO, and more against S, the name that nobody removes now. Later MLPs, which had followed
# L23H3, take most of that away again. The two heads of layer 29 both react, and nearly cancel. That prediction
# and measurement agree is partly luck.

# %%
told("L20H0", accounts[20, 0])

# %%
runs = {"": before, " without L20H0": accounts[20, 0]["after"]}
cases = [((20, 0), ""), *(((23, h), case) for h in range(3) for case in runs)]
plots.table(
    [
        (head_name(h) + case, *(f"{a:.2f}" for a in runs[case]["attention"].mean(1)[h][:3]))
        for h, case in cases
    ],
    columns=["END looks at", *ROLES[:3]],
)

# %% [markdown]
# **L20H0**: predicted nothing, measured **-1.0**. It works *through* others. L23H0, L23H2 and L23H1 each write
# less to IO and more to S, **1.1** together; L24H4 gives half of that back.
#
# Why? L20H0 looks at S2 (**0.70**). Without it the three movers look less at IO and more at S1. So it helps
# them to tell the two names apart, and an attribution map shows it as empty. In the paper, heads that look at S2
# and keep the movers off S are called *S-inhibition* heads. This one does both; by which path, lesson 1.4 can
# ask.

# %%
told("L23H0", accounts[23, 0], 2)

# %% [markdown]
# **L23H0**: predicted **-0.6**, measured **-0.1**, not distinguishable from zero. That is **self-repair**. L24H4
# lowers IO less now, which gives **0.3** back. And the stream is **4%** shorter, so all that remains is divided
# by less (**0.2**). (Rushing and Nanda found the norm's part in larger models.)
#
# In the paper, other heads jump in when the movers are gone: *backup name movers*. But there *all* movers were
# removed. Here the fellows of L23H0 still work. So remove them too: all heads of layer 23 but the remover.

# %%
without_movers = account(movers)
told("the 8 movers of layer 23", without_movers)

# %% [markdown]
# Predicted **-1.3**, measured **-0.2**, not distinguishable from zero. The whole group can go, and the
# *difference* hardly falls. (The names themselves do: IO by **4.3**, S by **4.1**.) Who steps in? Nobody begins
# to move names. The later heads that raise IO most are L29H0 (**0.9**) and L24H4 (**0.8**), our two hinderers:
# what they did against IO, they now leave undone, L29H0 for S as well. The next head adds **0.2**. No backups;
# suppressors that let go, and the norm.
#
# The controls: the head that hurts most, and six random heads of layers 20 to 29, none of them named so far.

# %%
from utils.heads import random_heads

OPPOSITE = HINDERERS[0]
RANDOM = random_heads(
    6,
    layers=range(20, cfg.n_layers),
    n_heads=cfg.n_heads,
    but=PICKED + ATTENDED + [(23, 1), (23, 2)],
    generator=torch.Generator().manual_seed(1),
)
effect = {
    head: rerun(prepared, [head])["logit_diff"] - before["logit_diff"]
    for head in [OPPOSITE, *RANDOM]
}
top, silent_one, repaired_one = PICKED
means = {
    head: {source: values.mean().item() for source, values in a["sources"]["difference"].items()}
    for head, a in [*accounts.items(), ("movers", without_movers)]
}
largest_random = max(effect[head].mean().abs().item() for head in RANDOM)
plots.table(
    [(head_name(head), show(forecast[head]), show(found)) for head, found in effect.items()],
    columns=["without (control)", "predicted", "measured"],
)

# %% [markdown]
# Without L29H0 the difference *rises*, by **0.8**, where **0.7** was predicted: it stands in the last layer. None
# of the six random heads changes it by more than **0.01**.
#
# So what does a share of `0.6` mean? That the head wrote `0.6` to the output, and no more than that. *High
# attribution and yet not needed* is a real state of affairs; so is *no attribution and badly needed*.
# Attribution finds who speaks last. To find who matters, intervene.

# %% tags=["numbers"]
assert PICKED == [(23, 3), (20, 0), (23, 0)] and OPPOSITE == (29, 0)
found = {head: a["reaction"] for head, a in accounts.items()}
claim("L23H3, predicted", means[top]["direct (as predicted)"], text=-2.2, within=0.1)
claim("L23H3, measured", means[top]["measured"], text=-2.1, within=0.1)
claim("L24H4 without L23H3", found[top]["difference"][24, 4], text=0.6, within=0.1)
assert found[top]["IO"][24, 4] > 0.1 and found[top]["S"][24, 4] < -0.1
assert 0.5 < -means[top]["later MLPs"] / found[top]["difference"][24, 4] < 0.9, "most of that"
echoes = found[top]["difference"][29, :2]
assert echoes[0] > 0.3 and echoes[1] < -0.3 and abs(echoes.sum()) < 0.15
thirtieth = mean_share[top] * (1 - 1 / (2 * N_EACH)) + means[top]["direct (as predicted)"]
assert abs(thirtieth) < 0.02, "the own part in the mean explains the gap"
claim("L20H0, measured", means[silent_one]["measured"], text=-1.0, within=0.1)
assert abs(means[silent_one]["direct (as predicted)"]) < 0.1
change = found[silent_one]["difference"]
claim("movers without L20H0", change[23, :3].sum(), text=-1.1, within=0.1)
assert found[silent_one]["IO"][23, :3].max() < -0.1 and found[silent_one]["S"][23, :3].min() > 0.1
assert 0.4 < -change[24, 4] / change[23, :3].sum() < 0.6, "half of it"
claim("L20H0 to S2", look[20, 0, 2], text=0.70, within=0.03)
shift = (accounts[silent_one]["after"]["attention"] - before["attention"]).mean(1)[23, :3]
assert shift[:, 0].max() < -0.03 and shift[:, 1].min() > 0.02, "off IO, onto S1"
own = accounts[repaired_one]["sources"]["difference"]["measured"]
claim("L23H0, predicted", means[repaired_one]["direct (as predicted)"], text=-0.6, within=0.1)
claim("L23H0, measured", own.mean(), text=-0.1, within=0.1)
assert own.mean().abs() < 2 * own.std() / len(own) ** 0.5, "not distinguishable from zero"
claim("L24H4 without L23H0", found[repaired_one]["difference"][24, 4], text=0.3, within=0.1)
claim("percent shorter", 100 * accounts[repaired_one]["shrinkage"], text=4, within=1)
claim("L23H0, the norm", means[repaired_one]["norm"], text=0.2, within=0.1)
claim("movers, predicted", means["movers"]["direct (as predicted)"], text=-1.3, within=0.1)
claim("movers, measured", means["movers"]["measured"], text=-0.2, within=0.1)
falls = without_movers["sources"]["difference"]["measured"]
assert falls.mean().abs() < 2 * falls.std() / len(falls) ** 0.5
lost = {name: sources["measured"].mean() for name, sources in without_movers["sources"].items()}
claim("IO without the movers", lost["IO"], text=-4.3, within=0.1)
claim("S without the movers", lost["S"], text=-4.1, within=0.1)
raised = without_movers["reaction"]["IO"]
first, second, next_one = top_heads(raised, 3)
assert (first, second) == ((29, 0), (24, 4)) and without_movers["reaction"]["S"][first] > 0.5
assert means["movers"]["norm"] > 0.2
claim("L29H0 on IO without the movers", raised[first], text=0.9, within=0.1)
claim("L24H4 on IO without the movers", raised[second], text=0.8, within=0.1)
claim("the next head on IO", raised[next_one], text=0.2, within=0.1)
claim("L29H0, measured", effect[OPPOSITE].mean(), text=0.8, within=0.1)
claim("L29H0, predicted", forecast[OPPOSITE].mean(), text=0.7, within=0.1)
claim("largest effect of six random heads", largest_random, text=0.01, within=0.01)

# %% [markdown]
# ## What you found


# %% tags=["results"]
def both(head) -> str:
    return f"{means[head]['direct (as predicted)']:z.1f}, {means[head]['measured']:z.1f}"


def size(values: torch.Tensor) -> str:
    return f"{values.abs().mean():.1f}"


right = f"{100 * accuracy['OTHER_NAMES']:.0f}%"
gate = f"{test['logit_diff'].mean():.1f}, {right}", f"third name: {third['logit_diff'].mean():z.1f}"
layer = size(by_part[47]), f"bystanders: {size(control_by_part[47])}"
head = f"L23H3 {size(heads_test[top])}", f"bystanders: {size(heads_bystanders[top])}"
does = f"lowers S by {size(s_up[top].mean())}", f"lowers IO by {size(io_up[top].mean())}"
at_random = f"random heads: {largest_random:.2f}"
plots.table(
    [
        ("logit difference, IO above S", *gate, "3.56, 99.3%"),
        ("size of attention 23's share", *layer, ""),
        ("strongest head, size of its share", *head, "L9H9, L9H6, L10H0"),
        ("what it does", *does, "they raise IO"),
        ("without it: predicted, measured", both(top), at_random, ""),
        ("without L20H0", both(silent_one), at_random, "S-inhibition heads"),
        ("without L23H0", both(repaired_one), at_random, ""),
        ("without L23's movers", both("movers"), f"without L23H3: {both(top)}", "backups step in"),
    ],
    columns=["", "SmolLM2-135M-Instruct", "control", "GPT-2 small (paper; not measured)"],
)

# %% [markdown]
# **What did not replicate.** The strongest head is not a name mover but a remover. And without the movers no
# *backup* began to move names: the repair comes from suppressors that let go, and from the norm.
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
# has another share. And the mean that replaces a head is a choice as well; other references give other numbers
# (lesson 1.4).
#
# ## Further reading
#
# - Wang et al. (2022), *Interpretability in the Wild*, arXiv 2211.00593
# - McDougall et al. (2023), *Copy Suppression*, arXiv 2310.04625
# - McGrath et al. (2023), *The Hydra Effect*, arXiv 2307.15771, on self-repair
# - Rushing and Nanda (2024), *Explorations of Self-Repair in Language Models*, arXiv 2402.15390
# - Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.2 · How induction is made](12_how_induction_is_made.ipynb) | **Next:** [1.4 · Patching: where does the position go?](14_patching.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/14_patching.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("13")
