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
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.2 · How induction is made](12_how_induction_is_made.ipynb) | **Next:** [1.4 · Patching: what moves, and when?](14_patching.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/14_patching.ipynb)
#
# Which head of the model does most for an answer, how, and what happens without it? You write the tools: an
# attribution, an ablation's control, and a split of who reacted.
#
# **Time** 60 minutes, 25 more to go deeper. **Needs** lessons 00 and 1.1: the residual stream as a sum, hooks,
# mean ablation. **Runs** in three minutes on a laptop's processor.

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
from collections.abc import Callable, Collection

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.ioi import task as ioi
from utils import plots
from utils.checks import lesson_13
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.circuits.attribution import final_scale
from utils.lesson import claim
from utils.models import load
from utils.stats import bootstrap

model = load().requires_grad_(False)  # nothing is trained here
cfg = model.cfg

PROMPT = "When Mary and John went to the store, John gave a drink to"  # change it, and run again
chances, tokens = model(model.to_tokens(PROMPT))[0, -1].softmax(-1).topk(5)
words = [repr(model.tokenizer.decode([token])) for token in tokens.tolist()]
plots.bars(
    dict(zip(words, chances.tolist(), strict=True)),
    title="What comes next?",
    y="probability",
    kinds=dict.fromkeys(words, "token"),
)

# %% [markdown]
# Change the names, their order, or who gives, and run the cell again. What does the model need to know to
# answer?
#
# The name that comes once is the **indirect object**, IO (Mary). The one that comes twice is the **subject**, S
# (John), first at **S1**, then at **S2**. The last token, which has to predict the name, is **END**. The task
# is *indirect-object identification*. Wang and colleagues (2022) took it apart in GPT-2 small, and found this
# circuit:

# %%
figures.diagram(
    {
        "Mary (IO)": (0, 0),
        "John (S1)": (1.6, 0),
        "John (S2)": (3.2, 0),
        "to (END)": (4.8, 0),
        "duplicate-token<br>head": (3.2, 1),
        "S-inhibition<br>head (at END)": (4.8, 2),
        "name mover<br>(at END)": (4.8, 3.2),
        "logit of Mary": (4.8, 4.2),
    },
    [
        ("John (S1)", "duplicate-token<br>head"),
        ("John (S2)", "duplicate-token<br>head"),
        ("duplicate-token<br>head", "S-inhibition<br>head (at END)", "came before"),
        ("to (END)", "S-inhibition<br>head (at END)"),
        ("S-inhibition<br>head (at END)", "name mover<br>(at END)", "do not look at John"),
        ("Mary (IO)", "name mover<br>(at END)", "Mary"),
        ("name mover<br>(at END)", "logit of Mary", "copied"),
    ],
    title="The hypothesis: how GPT-2 small does it",
    marked=["name mover<br>(at END)"],
)

# %% [markdown]
# Duplicate-token heads notice at S2 that this name came before. S-inhibition heads bring that to END, and steer
# the name movers away from S. **Name movers** look from END at IO, and copy that name to the output. Is any of
# this true of SmolLM2?
#
# ## 1. Can the model do it?
#
# The **logit difference** is `logit(IO) - logit(S)` at END. What pushes both names alike cancels in it, and
# above 0 the model prefers the right name. Three draws of prompts serve in this lesson. They share no name and
# no seed, and the last one shares no template:
#
# | draw | for | prompts |
# |---|---|---|
# | choose | choosing heads | 96: 4 templates, 10 names |
# | report | measuring what was chosen | 240: the same templates, 10 other names, another seed |
# | confirm | a last test, after the core | 240: 2 other templates, 10 other names, another seed |
# | third name | the control: neither name is right | those of *report*, with a third name at S2 |
#
# In each, IO is named first in half of the prompts.
#
# Only END changes in this lesson, so END runs by itself on what is kept of the tokens before it. Folded code may be
# skipped. You need `diff[draw]`, the logit differences, [prompt]; `usual[draw]`, a (logits,
# cache) of END for each batch of `prompts[draw]`; and `at_end(draw, heads)`, the same with heads mean-ablated.
# `logit_diffs(draw, runs)` gives differences, and `show` writes a mean ± 2 SE.

# %% tags=["folded"]
# The three draws, and what END does on them.
from utils.circuits.attribution import keep_before_last, run_last

DRAWS = {
    "choose": (12, 0, ioi.NAMES, range(4)),
    "report": (30, 1, ioi.OTHER_NAMES, range(4)),
    "confirm": (60, 2, ioi.UNSEEN_NAMES, (4, 5)),
}
KEEP = ("hook_embed", "attn_out", "mlp_out", "hook_resid_post", "hook_z", "hook_pattern")


def draw(n: int, seed: int, names: tuple[str, ...], templates) -> list[ioi.Prompts]:
    """For each template one batch of prompts: `n` with IO named first, `n` with S."""
    ways = {"generator": torch.Generator().manual_seed(seed), "names": names}
    return [ioi.both_orders(model, n, template=template, **ways) for template in templates]


def at_end(which: str, heads=()) -> list[tuple]:
    """(logits, cache) of END for each batch of a draw, with `heads` mean-ablated there."""
    keep = {"heads": heads, "names_filter": lambda name: name.endswith(KEEP)}
    return [run_last(model, before, **keep) for before in befores[which]]


def over(which: str, function: Callable, *runs: list[tuple]) -> torch.Tensor:
    """`function(prompts, *runs)` of each batch, joined along the last axis, the prompts."""
    return torch.cat([function(*each) for each in zip(prompts[which], *runs, strict=True)], -1)


def logit_diffs(which: str, runs: list[tuple]) -> torch.Tensor:
    return over(which, lambda batch, run: batch.logit_diff(run[0]), runs)


prompts = {which: draw(*how) for which, how in DRAWS.items()}
prompts["third name"] = [batch.third_name() for batch in prompts["report"]]
befores = {w: [keep_before_last(model, each.tokens) for each in of] for w, of in prompts.items()}
usual = {which: at_end(which) for which in prompts}
diff = {which: logit_diffs(which, runs) for which, runs in usual.items()}


def show(values: torch.Tensor) -> str:
    """Mean over prompts, and two standard errors."""
    return f"{values.mean():z.2f} ± {2 * values.std() / len(values) ** 0.5:.2f}"


def accuracy(values: torch.Tensor) -> str:
    return f"{100 * (values > 0).float().mean():.0f}%"


plots.table(
    [(which, show(found), accuracy(found)) for which, found in diff.items()],
    columns=["prompts", "logit difference ± 2 SE", "IO above S"],
)

# %% [markdown]
# The model passes on all three draws: the difference is **3.8** on *report*, and IO is above S in **99%** of
# those prompts. With a third name it is near 0, as it should be. The intervals speak for these templates alone.

# %% tags=["numbers"]
claim("logit difference, report", diff["report"].mean(), text=3.8, within=0.4)
claim("percent right", 100 * (diff["report"] > 0).float().mean(), text=99, within=2)
assert min((diff[w] > 0).float().mean() for w in DRAWS) > 0.94
assert diff["third name"].mean().abs() < diff["report"].mean() / 8

# %% [markdown]
# ## 2. Who writes the difference?
#
# At END the model divides the final stream `x` by its **scale**, `sqrt(mean(x²) + eps)`, multiplies it by the
# weights of the final norm, `w`, and by `W_U`. So for a direction `d`, here `W_U[:, IO] - W_U[:, S]`,
#
# `logit difference = x · (w * d) / scale`
#
# And `x` is a sum: the embedding, plus what each head and each MLP wrote. A head writes `z @ W_O`, its own
# `W_O`. So every component has its own term in this sum. That is **direct logit attribution**: *direct*,
# because it counts only what a component writes straight to the output, and not what it does through others.
# The scale is that of the whole stream, the same for all terms: otherwise they would not sum.
#
# ### Exercise 1 · attribute the difference to heads (10 minutes, medium)
#
# A cache gives `cache["z", layer]`, [batch, pos, head, d_head]. `final_scale(cache, model)` gives the scale, [batch].
# The rest is in `model.W_O`, `model.ln_final.weight` and `model.cfg.n_layers`.


# %% tags=["exercise:utils.circuits.attribution.attribute_heads"]
def attribute_heads(
    cache, model, direction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "layer head batch"]:
    """Direct logit attribution: what each head writes along a direction at the last position.

    In logits: on the scale by which the final norm divides the whole stream there.

    Args:
        cache: of a run, with `cache["z", layer]` for every layer, and what `final_scale` needs.
        model: what was run. It has `W_O`, [layer, head, d_head, d_model], and `ln_final.weight`.
        direction: for each prompt, as the unembedding reads it (the final norm's weight is not in
            it): a difference of two columns of `W_U`, for example.
    """
    ### BEGIN SOLUTION
    folded = direction * model.ln_final.weight
    z = torch.stack([cache["z", layer][:, -1] for layer in range(model.cfg.n_layers)])
    written = torch.einsum("lbhe,lhed->lhbd", z, model.W_O)
    return (written * folded).sum(-1) / final_scale(cache, model)
    ### END SOLUTION


# %% tags=["check"]
attribute_heads = lesson_13.check_attribute_heads(attribute_heads)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# In this order: the direction times the norm's weight; all `z` at the last position, stacked over layers; what
# each head writes; the dot product, and the division.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.einsum("lbhe,lhed->lhbd", z, model.W_O)` gives what each head writes, [layer, head, batch, d_model]: l
# layer, b batch, h head, e d_head, d d_model. A direction [batch, d_model] then fits its last two axes.
#
# </details>

# %% tags=["folded"]
# Your attribution on the draw `choose`, and whether its terms sum to the difference.
from utils.heads import head_name, top_heads


def to_difference(batch: ioi.Prompts) -> torch.Tensor:
    return (model.W_U[:, batch.io] - model.W_U[:, batch.s]).T


def attributions(which: str, directions: Callable) -> torch.Tensor:
    """Your attribution along each batch's directions, [layer, head, batch]."""
    return over(
        which,
        lambda batch, run: attribute_heads(run[1], model, directions(batch)),
        usual[which],
    )


def attribute_rest(batch: ioi.Prompts, run: tuple) -> torch.Tensor:
    """The same for the embedding and the MLPs together, [batch]."""
    cache = run[1]
    rest = cache["hook_embed"] + sum(cache["mlp_out", layer] for layer in range(cfg.n_layers))
    along = (rest[:, -1] * model.ln_final.weight * to_difference(batch)).sum(-1)
    return along / final_scale(cache, model)


by_head = {"choose": attributions("choose", to_difference)}
rest = over("choose", attribute_rest, usual["choose"])
total = by_head["choose"].sum((0, 1))
gap = (total + rest - diff["choose"]).abs().max().item()
print(
    f"choose: heads {total.mean():+.2f}, embedding and MLPs {rest.mean():+.2f} logits on average."
)
print(f"Their sum misses the measured logit difference by {gap:.0e} at most, prompt by prompt.")
heads = by_head["choose"].mean(-1)
plots.heatmap(
    heads,
    title="Which heads write towards IO, and which towards S?",
    x="head",
    y="layer",
    label="logits:<br>+ for IO,<br>- for S",
    signed=True,
    text=figures.named_heads(heads.abs(), 5),
)

# %% [markdown]
# The terms sum to the difference, prompt by prompt. On *choose*, heads write **2.6** logits of it, and the
# embedding and all MLPs together **1.0**. Hardly any of the 270 heads writes towards either name. One of them,
# **L23H3**, writes **2.2** logits by itself. If the hypothesis holds here, it should be a name mover.

# %% tags=["numbers"]
assert gap < 1e-3
claim("heads, choose", total.mean(), text=2.6, within=0.35)
claim("embedding and MLPs, choose", rest.mean(), text=1.0, within=0.15)
claim("attribution of L23H3, choose", heads[23, 3], text=2.2, within=0.3)
assert top_heads(heads, 1) == [(23, 3)] and heads[23, 3] > 1.7 * heads.flatten().topk(2).values[1]
assert (heads.abs() > 0.1).sum() < 15

# %%
predict(
    "13.look",
    "Where does L23H3 look most from END?",
    choices=["at IO", "at S1", "at S2", "elsewhere, as at BOS"],
)

# %% [markdown]
# ## 3. What does it do?

# %% tags=["folded"]
# Attention from END: of the three heads that write most for IO, and the two that write most for S.
FIVE = top_heads(heads, 3) + top_heads(-heads, 2)
ROLES = ("IO", "S1", "S2", "END", "BOS")


def looks(batch: ioi.Prompts, run: tuple) -> torch.Tensor:
    """Attention from END to each role, [layer, head, role, batch]."""
    patterns = torch.stack([run[1]["pattern", layer][:, :, -1] for layer in range(cfg.n_layers)])
    rows = torch.arange(len(batch.io), device=batch.io.device)
    places = [rows * 0 + batch.positions.get(role, 0) for role in ROLES]
    return torch.stack([patterns[:, rows, :, place] for place in places]).permute(2, 3, 0, 1)


look = {w: over(w, looks, usual[w]) for w in ("choose", "report", "third name")}
mean_look = look["report"].mean(-1)
most = mean_look[23, 3].argmax().item()
most_at = ("at IO", "at S1", "at S2", "elsewhere, as at BOS")[min(most, 3)]
outcome("13.look", most_at)
five_look = torch.stack([mean_look[head] for head in FIVE])
plots.heatmap(
    torch.cat([five_look, 1 - five_look.sum(1, keepdim=True)], dim=1),
    title="Where do the five heads of largest attribution look from END? (mean over report)",
    x="",
    y="",
    rows=[head_name(head) for head in FIVE],
    columns=[*ROLES, "other tokens"],
    text="values",
    ends=(0, 1),
)

# %% [markdown]
# L23H3 gives **0.62** of its attention to **S2**, the name to avoid, and next to none to IO. How can it favour
# IO?
#
# The difference rises when IO goes up, and just as much when S goes *down*. So take the two names apart. But a
# single logit has no zero: add 1 to all logits, and no probability changes. "It raises IO" needs something to
# compare with.
#
# ### Exercise 2 · raises IO, or lowers S? (9 minutes, medium)
#
# An audit: you choose the control. Along the direction `W_U[:, IO] - reference`, attribution says how far a
# head raises the logit of IO above the reference's, and likewise for S. The reference is the mean of *some*
# tokens' columns. Of which? Choose it so that these four imagined heads read as they should:
#
# | head | what it does | IO should read | S should read |
# |---|---|---|---|
# | (a) | raises every logit by 1 | 0 | 0 |
# | (b) | raises all ten names by 1, no other token | 0 | 0 |
# | (c) | lowers S by 1, no other token | 0 | -1 |
# | (d) | raises IO by 1, no other token | 1 | 0 |


# %% tags=["exercise:utils.circuits.attribution.name_directions"]
def name_directions(
    W_U: Float[Tensor, "d_model d_vocab"],
    io: Int[Tensor, " batch"],
    s: Int[Tensor, " batch"],
    names: Int[Tensor, " name"],
) -> tuple[Float[Tensor, "batch d_model"], Float[Tensor, "batch d_model"]]:
    """Directions along which a name rises against its prompt's reference: of IO, and of S.

    Args:
        io, s: each prompt's two names, as tokens.
        names: all names that prompts are made of, as tokens; `io` and `s` are among them.
    """
    ### BEGIN SOLUTION
    columns = W_U[:, names].T
    in_prompt = (names == io[:, None]) | (names == s[:, None])
    absent = (~in_prompt).to(columns.dtype)
    reference = absent @ columns / absent.sum(1, keepdim=True)
    return W_U[:, io].T - reference, W_U[:, s].T - reference
    ### END SOLUTION


# %% tags=["check"]
name_directions = lesson_13.check_name_directions(name_directions)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# (a) and (b) want names in the reference, and nothing but names. (c) and (d) say which names must not be in it,
# and these differ from prompt to prompt.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `names == io[:, None]` is [batch, name], true where a name is the prompt's IO. With a mask of 0 and 1, [batch,
# name], `mask @ W_U[:, names].T` is a sum of columns for each prompt. Divide by how many they are. A loop over
# the prompts will do as well.
#
# </details>

# %% tags=["folded"]
# The five heads along your directions.
NAMES = {
    which: torch.cat([x for each in prompts[which] for x in (each.io, each.s, each.spare)]).unique()
    for which in DRAWS
}


def split(which: str) -> dict[str, torch.Tensor]:
    """How far each head raises IO and S, [layer, head, batch] each."""

    def towards(number: int):
        return lambda batch: name_directions(model.W_U, batch.io, batch.s, NAMES[which])[number]

    return {name: attributions(which, towards(i)) for i, name in enumerate(("IO", "S"))}


raised = {which: split(which) for which in ("choose", "report")}
by_head |= {"report": raised["report"]["IO"] - raised["report"]["S"]}
plots.table(
    [
        (
            head_name(head),
            show(by_head["report"][head]),
            *(show(raised["report"][name][head]) for name in ("IO", "S")),
        )
        for head in FIVE
    ],
    columns=["report", "raises the difference by", "raises IO by", "raises S by"],
)

# %% [markdown]
# L23H3 hardly touches IO, and lowers S by **2.4**. So it is no name mover. We call it an **S-suppressor**, since
# it looks at S2 and lowers S. L23H0 is a name mover as in the paper. It looks at IO and raises it by
# **1.2**; but it raises S too, so the difference shows about half of it. L24H4 looks at IO and *lowers* it by
# **1.2**, as the paper's *negative name movers* do. L29H1 and L29H0 look at no name; a section below comes back
# to them.

# %% tags=["numbers"]
claim("L23H3 to S2", mean_look[23, 3, 2], text=0.62, within=0.06)
assert mean_look[23, 3, 0] < 0.1 and (mean_look[29, :2, :3] < 0.05).all()
claim("L23H3 raises S by", raised["report"]["S"][23, 3].mean(), text=-2.4, within=0.3)
claim("L23H0 raises IO by", raised["report"]["IO"][23, 0].mean(), text=1.2, within=0.15)
claim("L24H4 raises IO by", raised["report"]["IO"][24, 4].mean(), text=-1.2, within=0.15)
assert raised["report"]["IO"][23, 3].mean().abs() < 0.3
assert 0.4 < raised["report"]["S"][23, 0].mean() / raised["report"]["IO"][23, 0].mean() < 0.65
assert mean_look[23, 0].argmax() == mean_look[24, 4].argmax() == 0
assert set(FIVE) == {(23, 3), (29, 1), (23, 0), (29, 0), (24, 4)}

# %% [markdown]
# ## 4. Take a head away
#
# Attribution says what a head *wrote*. What happens *without* it is another question. The mean ablation of lesson
# 1.1 answers it, at END only. The hook is given.

# %%
without = {}  # (layer, head) -> the runs of report without it, as `at_end` gives them


def change_without(head: tuple[int, int]) -> Float[Tensor, " batch"]:
    """Change of the difference on report, prompt by prompt, when one head is mean-ablated at END."""
    if head not in without:
        without[head] = at_end("report", [head])
    return logit_diffs("report", without[head]) - diff["report"]


# %% [markdown]
# ### Exercise 3 · more than any head? (9 minutes, medium)
#
# An audit. "Without head X the difference changes by so much." How much of that would *any* head do? You build
# the control. X is a head of layer 23. *Suspects* are heads that may matter themselves, here those with an
# attribution above `0.05` in size on *choose*. `bootstrap(values)` draws the values again with replacement, a
# thousand times, and gives the ends (low, high) of a 95% interval of their mean. Four imagined results should
# read as follows:
#
# | result | what the ablations do | X, beyond its control |
# |---|---|---|
# | (a) | every head of layer 23 costs 1, X too; heads of other layers cost 0 | 0 |
# | (b) | as (a), but L23H1, a suspect, costs 5 | 0 |
# | (c) | X costs 1; of the four others that are no suspects one costs 4, three nothing | 0 |
# | (d) | every head of layer 23 moves the same half of the prompts by +3 and the others by -3; X takes another 1 off each | -1, without any doubt |


# %% tags=["exercise:utils.circuits.attribution.beyond_controls"]
def beyond_controls(
    change_without: Callable[[tuple[int, int]], Float[Tensor, " batch"]],
    head: tuple[int, int],
    suspects: Collection[tuple[int, int]],
    n_heads: int,
) -> tuple[float, float, float]:
    """How much more a metric changes without a head than without its controls: mean, low, high.

    Three numbers: the mean over prompts, then both ends of its 95% interval. `bootstrap(values)`
    gives the two ends alone.

    Args:
        change_without: of (layer, number), the metric's change when that head is ablated, prompt by
            prompt. The prompts are the same each time.
        head: layer, and number in the layer.
        suspects: heads, of any layer, that may matter themselves; `head` may be among them.
        n_heads: how many heads a layer has.
    """
    ### BEGIN SOLUTION
    layer = head[0]
    others = [(layer, number) for number in range(n_heads)]
    controls = [other for other in others if other != head and other not in suspects]
    control = torch.stack([change_without(each) for each in controls]).mean(0)
    beyond = change_without(head) - control
    low, high = bootstrap(beyond)
    return beyond.mean().item(), low, high
    ### END SOLUTION


# %% tags=["check"]
beyond_controls = lesson_13.check_beyond_controls(beyond_controls)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# (a) asks for the head's own layer, (b) leaves out suspects, (c) wants more than one head. (d) is about the
# interval: of which numbers, one a prompt, is it?
#
# </details>
# <details><summary>Hint 2</summary>
#
# The controls' mean change, prompt by prompt: `torch.stack([change_without(each) for each in controls]).mean(0)`.
# Take it off the head's own change *before* anything is averaged over prompts, and give what is left to
# `bootstrap`.
#
# </details>

# %%
predict(
    "13.mover",
    "L23H0, the name mover, has an attribution of about 0.5. Without it the mean difference will",
    choices=["fall by about 0.5", "fall by about 0.25", "hardly change"],
)

# %% tags=["folded"]
# Your comparison, for the change and for its size.
suspected = [tuple(head) for head in (heads.abs() > 0.05).nonzero().tolist()]


def size_without(head: tuple[int, int]) -> torch.Tensor:
    """How far each prompt moves, up or down."""
    return change_without(head).abs()


beyond = {
    (head, of): beyond_controls(of, head, suspected, cfg.n_heads)
    for head in [(23, 3), (23, 0)]
    for of in (change_without, size_without)
}
fall = -change_without((23, 0)).mean().item()
sizes = {"fall by about 0.5": 0.5, "fall by about 0.25": 0.25, "hardly change": 0.0}
outcome("13.mover", min(sizes, key=lambda size: abs(sizes[size] - fall)))
plots.table(
    [
        (
            head_name(head),
            what,
            show(of(head)),
            "{:.2f}: {:.2f} to {:.2f}".format(*beyond[head, of]),
        )
        for head in [(23, 3), (23, 0)]
        for what, of in [("change", change_without), ("size of the change", size_without)]
    ],
    columns=[
        "report, without",
        "of each prompt's difference",
        "mean ± 2 SE",
        "beyond its controls: mean, 95% interval",
    ],
)

# %% [markdown]
# Without L23H3 the difference falls by **2.1**, about what it wrote, and its controls cost next to nothing. L23H0
# wrote **0.55**, and without it the mean hardly falls: beyond its controls, the interval rules out a loss of half
# of what it wrote. That is not "nothing happens". A single prompt moves by **0.4**, up or down, and this is
# **0.3** more than without a control head. So other components made up for the head, in some prompts more than in
# others. Who?

# %% tags=["numbers"]
claim("L23H3, change", change_without((23, 3)).mean(), text=-2.1, within=0.3)
claim("L23H0, attribution", by_head["report"][23, 0].mean(), text=0.55, within=0.08)
claim("L23H0, size of the change", size_without((23, 0)).mean(), text=0.4, within=0.06)
claim("L23H0, size beyond controls", beyond[(23, 0), size_without][0], text=0.3, within=0.045)
assert change_without((23, 0)).mean().abs() < by_head["report"][23, 0].mean() / 3
assert beyond[(23, 3), change_without][2] < -1.5 and beyond[(23, 0), size_without][1] > 0.15
assert beyond[(23, 0), change_without][1] > -by_head["report"][23, 0].mean() / 2
assert beyond[(23, 0), size_without][0] > size_without((23, 0)).mean() / 2

# %% [markdown]
# ## 5. Who reacted?
#
# The difference is `x · (w * d) / scale`. An ablation changes it twice: components write something else into `x`, and
# another scale divides all of it. A convention separates the two. First all components change on the *old* scale,
# that of section 2, so that the steps compare with attributions. Then the scale changes, for the whole stream.
#
# ### Exercise 4 · where the effect comes from (11 minutes, hard)
#
# Split the change in four steps, which sum to it *exactly* for every prompt:
#
# - **direct**: the ablated heads write something else. Use `attn_out` of their layer: the other heads' output
#   has not changed yet, and cancels.
# - **later attention** and **later MLPs**: what *reads* a changed stream writes something else. Which is the first
#   that can?
# - **norm**: what the new scale does to the stream of the run *after*.
#
# Attribution predicts the first step alone, which is about minus the attribution.


# %% tags=["exercise:utils.circuits.attribution.waterfall"]
def waterfall(
    before, after, model, direction: Float[Tensor, "batch d_model"], layer: int
) -> dict[str, Float[Tensor, " batch"]]:
    """What the effect of ablating heads of one layer is made of, in logits along a direction.

    The keys are "direct", "later attention", "later MLPs" and "norm", each with one number for each
    prompt. They sum to the whole effect; the first three are on the scale of the run before.
    Sources: McGrath et al., 2023 (arXiv 2307.15771); Rushing and Nanda, 2024 (arXiv 2402.15390), on
    the norm.

    Args:
        before, after: caches of both runs, with "attn_out", "mlp_out" and "resid_post" of every
            layer, [batch, pos, d_model]. Only the last position counts.
        direction: as for `attribute_heads`.
        layer: of the ablated heads; it may be the last.
    """
    ### BEGIN SOLUTION
    n_layers, folded = model.cfg.n_layers, direction * model.ln_final.weight
    old, new = final_scale(before, model), final_scale(after, model)

    def changed(name, layers):
        change = torch.zeros_like(direction)
        for i in layers:
            change = change + after[name, i][:, -1] - before[name, i][:, -1]
        return (change * folded).sum(-1) / old

    whole = (after["resid_post", n_layers - 1][:, -1] * folded).sum(-1)
    return {
        "direct": changed("attn_out", [layer]),
        "later attention": changed("attn_out", range(layer + 1, n_layers)),
        "later MLPs": changed("mlp_out", range(layer, n_layers)),
        "norm": whole / new - whole / old,
    }
    ### END SOLUTION


# %% tags=["check"]
waterfall = lesson_13.check_waterfall(waterfall)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Write an inner function of a name, `"attn_out"` or `"mlp_out"`, and a list of layers: the sum of `after - before`,
# its dot product with `direction * w`, over the old scale. The norm's step is what the change of scale does to the
# stream of the run *after*.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Later attention begins at `layer + 1`, later MLPs at `layer`: a block's MLP comes after its attention. In the
# last layer no attention is later, and a bare `sum` of nothing is the number 0: begin with
# `torch.zeros_like(direction)`. The norm: `x_after · (w * d) * (1 / scale_after - 1 / scale_before)`.
#
# </details>


# %% tags=["folded"]
# Your waterfall, without L23H3 and without L23H0.
def falls(which: str, layer: int, after: list[tuple], directions=to_difference) -> dict:
    """Your waterfall over a whole draw: step -> [batch]."""
    each = [
        waterfall(was[1], now[1], model, directions(batch), layer)
        for batch, was, now in zip(prompts[which], usual[which], after, strict=True)
    ]
    return {step: torch.cat([found[step] for found in each]) for step in each[0]}


steps = {head: falls("report", head[0], without[head]) for head in [(23, 3), (23, 0)]}
gaps = [(sum(of.values()) - change_without(head)).abs().max() for head, of in steps.items()]
print(f"the four steps miss the measured change by {max(gaps):.0e} at most")
figures.waterfalls(
    {f"without {head_name(head)}": found for head, found in steps.items()},
    title="Who changed the logit difference? (mean over prompts ± 2 SE)",
    y="change (logits)",
)


# %% tags=["folded"]
# Which later heads reacted: each one's attribution without the head, less that before, on the old scale.
def reactions(which: str, layer: int, after: list[tuple], directions=to_difference) -> torch.Tensor:
    """How each later head's attribution changed, on the old scale, [layer, head, batch]."""

    def change(batch, was, now):
        old, new = (final_scale(run[1], model) for run in (was, now))
        along = [attribute_heads(run[1], model, directions(batch)) for run in (was, now)]
        return along[1] * new / old - along[0]  # back from the new scale to the old one

    found = over(which, change, usual[which], after)
    found[: layer + 1] = 0
    return found


for head in steps:
    found = reactions("report", head[0], without[head])
    named = [f"{head_name(h)} {show(found[h])}" for h in top_heads(found.mean(-1).abs(), 3)]
    print(f"without {head_name(head)}, the largest reactions:", ", ".join(named))
repair = change_without((23, 0)) - steps[23, 0]["direct"]
low, high = bootstrap(repair)
print(
    f"L23H0, measured less direct, paired: {repair.mean():.2f}, 95% interval {low:.2f} to {high:.2f}"
)
scales = [
    over("report", lambda batch, run: final_scale(run[1], model), runs).mean()
    for runs in (usual["report"], without[23, 0])
]
print(f"scale at END: {scales[0]:.2f} before, {scales[1]:.2f} without L23H0")

# %% [markdown]
# **L23H0** is repaired: the measured change is about half a logit above the direct one, paired. Most of that is
# later attention, above all L24H4: it writes less against the difference now. The norm gives **0.17**: without
# this head the scale is smaller, so all that remains counts for more. McGrath and colleagues call this *self-repair*.
#
# **L23H3** looks as if nothing had reacted. In fact later attention gives back **0.6**, and later MLPs take
# nearly as much away. A measured change close to the direct one does not show that nothing happened in between.

# %% tags=["numbers"]
assert 0.3 < repair.mean() < 0.8
assert low > 0.3 and steps[23, 0]["later attention"].mean() > steps[23, 0]["norm"].mean() > 0.1
assert top_heads(reactions("report", 23, without[23, 0]).mean(-1).abs(), 1) == [(24, 4)]
claim("L23H3, later attention", steps[23, 3]["later attention"].mean(), text=0.6, within=0.09)
assert -0.8 < steps[23, 3]["later MLPs"].mean() < -0.3 and max(gaps) < 1e-3
assert scales[1] < scales[0]
claim("L23H0, norm", steps[23, 0]["norm"].mean(), text=0.17, within=0.025)

# %% [markdown]
# ## 6. The head that attribution cannot see
#
# ### Investigation · find it in three ablations (7 minutes, medium)
#
# Most heads write next to nothing to the difference: their attribution is below `0.05` in size. Yet without one of
# these, at END, the difference falls more than without any other of them. Find it with **three ablations**,
# `without_head((layer, head))`. Reading costs nothing: `heads` has the attributions, and `look["choose"]` the
# attention from END, [layer, head, role, batch], with roles as in `ROLES`. Answer as `(layer, head)`.

# %% tags=["folded"]
# `without_head((layer, head))`: the change on the draw `choose`, three times.
spent = []


def without_head(head: tuple[int, int]) -> str:
    """Ablates one head at END on the draw `choose`, if the budget allows."""
    if head not in spent and len(spent) == 3:
        return (
            "The three ablations are spent. Run this cell again for a new three, or read the hints."
        )
    spent.extend([head] if head not in spent else [])
    change = logit_diffs("choose", at_end("choose", [head])) - diff["choose"]
    return f"without {head_name(head)}: {show(change)} ({len(spent)} of 3)"


# %% tags=["solution-only"]
candidates = top_heads(look["choose"].mean(-1)[..., ROLES.index("S2")], 12)
for head in [head for head in candidates if abs(heads[head]) < 0.05][:3]:
    print(without_head(head))

# %% tags=["answer:invisible_head"]
### BEGIN SOLUTION
invisible_head = (20, 0)
### END SOLUTION

# %% tags=["check"]
invisible_head = lesson_13.check_invisible_head(invisible_head)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A head without an effect of its own must act through later heads. In the diagram that is the S-inhibition
# head: it works at END, before the name movers. Where does it look?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `top_heads(look["choose"].mean(-1)[..., 2], 12)` are the heads with most attention from END to S2. Leave out
# those with an attribution above `0.05` in size, and ablate the rest from the top.
#
# </details>

# %% [markdown]
# Here are all 108 heads of layers 18 to 29, on half of the templates of *choose*. Those above `0.35` on either axis
# are filled, and carry their name.

# %% tags=["folded"]
# Attribution of each head, and what happens without it.
from utils.circuits.attribution import effects_of_each_head

FROM = 18
sweeps = [
    effects_of_each_head(model, before, batch.logit_diff, layers=range(FROM, cfg.n_layers))
    for batch, before in zip(prompts["choose"][:2], befores["choose"], strict=False)
]
sweep = torch.cat(sweeps, -1).mean(-1)
every = [(FROM + i, j) for i in range(len(sweep)) for j in range(cfg.n_heads)]
half = by_head["choose"][..., : 2 * len(prompts["choose"][0].io)].mean(-1)
dots = {head_name(h): (half[h].item(), sweep[h[0] - FROM, h[1]].item()) for h in every}
plots.scatter(
    dots,
    named=[name for name, (x, y) in dots.items() if max(abs(x), abs(y)) > 0.35],
    title="Does attribution say what happens without a head?",
    x="attribution (logits)",
    y="change of the difference without the head",
).add_scatter(
    x=[-1, 2.4],
    y=[1, -2.4],
    mode="lines",
    line={"color": "#888", "dash": "dash"},
    name="where a head would be if nothing reacted",
    showlegend=True,
)

# %% tags=["folded"]
# The invisible head against its controls, and your waterfall.
silent_name = head_name(invisible_head)
silent = change_without(invisible_head)
heard = without[invisible_head]
silent_beyond = beyond_controls(change_without, invisible_head, suspected, cfg.n_heads)
print(f"{silent_name} on report: attention from END to S2 {mean_look[invisible_head][2]:.2f}")
print(f"attribution {show(by_head['report'][invisible_head])}, without it {show(silent)}")
print("beyond its controls {:.2f}: {:.2f} to {:.2f}".format(*silent_beyond))
steps[invisible_head] = falls("report", invisible_head[0], heard)
figures.waterfalls(
    {f"without {silent_name}": steps[invisible_head]},
    title=f"Through whom does {silent_name} act? (mean over prompts ± 2 SE)",
    y="change (logits)",
)

# %% tags=["folded"]
# How attention and attribution of the heads of layers 23 and 24 change without it.
moved = over("report", looks, heard) - look["report"]
reacted = reactions("report", invisible_head[0], heard)
MOVERS = [
    (23, h)
    for h in range(cfg.n_heads)
    if raised["choose"]["IO"].mean(-1)[23, h] > 0.4 and look["choose"].mean(-1)[23, h, 0] > 0.2
]
print("movers of layer 23, chosen on choose:", ", ".join(map(head_name, MOVERS)))
plots.table(
    [
        (
            head_name(head),
            *(show(moved[head][ROLES.index(role)]) for role in ("IO", "S1", "S2")),
            show(reacted[head]),
        )
        for head in [*MOVERS, (23, 3), (24, 4)]
    ],
    columns=[
        f"report, without {silent_name}: change of",
        *(f"attention to {role}" for role in ("IO", "S1", "S2")),
        "attribution",
    ],
)

# %% [markdown]
# L20H0 looks at S2 and writes nothing to the difference. Without it the difference falls by **1.1** on *report*, and
# hardly changes without a control head.
#
# Is it the paper's **S-inhibition** head? *Alike:* without it the movers of layer 23 look less at IO and more at S1,
# and write less to the difference. *Not alike:* their attention to S2 hardly changes, and the paper's heads keep
# movers off both. L24H4 turns away from IO, and gives back about as much as one mover loses. About a quarter of the fall comes
# through later MLPs. So we call it *like* an S-inhibition head.
#
# So a head can have a high attribution and not be needed for the mean, and it can have none and be needed. To find
# which heads matter, intervene.

# %% tags=["numbers"]
claim("without L20H0, report", silent.mean(), text=-1.1, within=0.16)
assert abs(silent_beyond[0] - silent.mean()) < 0.1 and silent_beyond[2] < -0.5
assert (heads.abs() < 0.05).sum() > 200 and mean_look[invisible_head][2] > 0.6
quiet = [h for h in every if abs(half[h]) < 0.05]
assert min(quiet, key=lambda h: sweep[h[0] - FROM, h[1]]) == invisible_head
assert heads[invisible_head].abs() < 0.05 and (23, 0) in MOVERS
assert steps[invisible_head]["later attention"].mean() < -0.5
for head in MOVERS:
    to_io, to_s1 = moved[head][0], moved[head][1]
    assert to_io.mean() < -2 * to_io.std() / len(to_io) ** 0.5
    assert to_s1.mean() > 2 * to_s1.std() / len(to_s1) ** 0.5
    assert moved[head][2].mean().abs() < to_s1.mean() / 2 and reacted[head].mean() < -0.1
assert moved[23, 3][2].mean() > 0.01 and reacted[23, 3].mean() > 0.05
assert moved[24, 4][0].mean() < -0.05 and reacted[24, 4].mean() > 0.25
assert 0.15 < (steps[invisible_head]["later MLPs"].mean() / silent.mean()) < 0.35

# %% [markdown]
# ## Going deeper: does it hold on other words? (2 minutes)
#
# All heads were chosen on *choose*. The draw *confirm* has two templates, ten names and a seed that nothing was
# looked at on.

# %% tags=["folded"]
# The same numbers on the draw `confirm`.
raised["confirm"] = split("confirm")
by_head["confirm"] = raised["confirm"]["IO"] - raised["confirm"]["S"]
look["confirm"] = over("confirm", looks, usual["confirm"])
three = [(23, 3), (23, 0), invisible_head]
changes = {"report": {head: change_without(head) for head in three}, "confirm": {}}
for head in three:
    after = at_end("confirm", [head])
    changes["confirm"][head] = logit_diffs("confirm", after) - diff["confirm"]
rows = {
    "L23H3: attribution": lambda w: by_head[w][23, 3],
    "L23H3: attention to S2": lambda w: look[w][23, 3, 2],
    "L23H3 raises S by": lambda w: raised[w]["S"][23, 3],
    "L23H3 raises IO by": lambda w: raised[w]["IO"][23, 3],
    "without L23H3": lambda w: changes[w][23, 3],
    "L23H0: attribution": lambda w: by_head[w][23, 0],
    "without L23H0": lambda w: changes[w][23, 0],
    f"{silent_name}: attribution": lambda w: by_head[w][invisible_head],
    f"without {silent_name}": lambda w: changes[w][invisible_head],
}
plots.table(
    [(what, show(of("report")), show(of("confirm"))) for what, of in rows.items()],
    columns=["mean ± 2 SE", "report", "confirm"],
)

# %% [markdown]
# All three findings hold on other words.

# %% tags=["numbers"]
for what in ("L23H3 raises S by", "without L23H3", f"without {silent_name}"):
    assert rows[what]("confirm").mean() < -0.5, what
    assert 0.6 < rows[what]("confirm").mean() / rows[what]("report").mean() < 1.6, what
assert rows["L23H3 raises IO by"]("confirm").mean().abs() < 0.3
assert rows["L23H3: attention to S2"]("confirm").mean() > 0.45
assert (
    rows["without L23H0"]("confirm").mean().abs() < rows["L23H0: attribution"]("confirm").mean() / 3
)

# %% [markdown]
# ## Going deeper: the name that came twice, or the name at S2? (5 minutes)
#
# L23H3 looks at S2, and S is the name that came twice. Which of the two does it go by? Put a third name at S2,
# as in section 1's control.

# %%
predict(
    "13.third",
    "With a third name at S2, which name will L23H3 lower most?",
    choices=["S, though it comes once now", "the third name", "none by more than 0.5"],
)


# %% tags=["folded"]
# How far L23H3 moves each of three names, against those that are not in the prompt.
def against_rest(own: str) -> Callable:
    """Directions of a name against the mean of those that are not in the prompt."""

    def directions(batch: ioi.Prompts) -> torch.Tensor:
        present = torch.stack([batch.io, batch.s, batch.spare], dim=1)
        rest = [NAMES["report"][~torch.isin(NAMES["report"], row)] for row in present]
        reference = torch.stack([model.W_U[:, names].mean(1) for names in rest])
        return model.W_U[:, getattr(batch, own)].T - reference

    return directions


lowered = {
    name: attributions("third name", against_rest(own))[23, 3]
    for name, own in [("IO", "io"), ("S", "s"), ("third name", "spare")]
}
third_look = look["third name"].mean(-1)[23, 3]
if min(x.mean() for x in lowered.values()) > -0.5:
    lowered_most = "none by more than 0.5"
elif lowered["third name"].mean() < lowered["S"].mean():
    lowered_most = "the third name"
else:
    lowered_most = "S, though it comes once now"
outcome("13.third", lowered_most)
in_report = [("IO", raised["report"]["IO"], 0), ("S, at S2 again", raised["report"]["S"], 2)]
in_control = [("IO", 0), ("S, now at S1 alone", 1), ("third name", 2)]
plots.table(
    [
        ("report", name, f"{mean_look[23, 3, at]:.2f}", show(how[23, 3]))
        for name, how, at in in_report
    ]
    + [
        ("third name at S2", name, f"{third_look[at]:.2f}", show(lowered[name.split(",")[0]]))
        for name, at in in_control
    ],
    columns=["prompts", "name", "L23H3 looks there", "raises that name by"],
)

# %% [markdown]
# The name at S2 goes down by **1.9**, though it came only once, and S no more than IO. So the head lowers the name
# that is at S2, repeated or not. Where the name came twice it *looks* there more; relative to its attention it lowers the name less, not
# more. "S-suppressor" described one kind of prompt, and misleads on this one.

# %% tags=["numbers"]
claim("L23H3 on the third name", lowered["third name"].mean(), text=-1.9, within=0.28)
assert lowered["S"].mean() > lowered["third name"].mean() / 2
assert (lowered["S"].mean() - lowered["IO"].mean()).abs() < 0.2
assert mean_look[23, 3, 2] > 1.2 * third_look[2]
for_look = raised["report"]["S"][23, 3].mean() / mean_look[23, 3, 2]
assert lowered["third name"].mean() / third_look[2] < for_look

# %% [markdown]
# ## Going deeper: what do the weights say? (12 minutes)
#
# Attention decides *where* a head looks. `W_V @ W_O`, its **OV circuit**, decides what it writes when it looks
# there. So weights alone can be asked: if a head looks at one name, what happens to the 30 names' logits? A
# name mover raises the name it reads.
#
# ### Exercise 5 · what a head does to the name it reads (12 minutes, medium)


# %% tags=["exercise:utils.circuits.attribution.ov_on_names"]
def ov_on_names(
    model, head: tuple[int, int], x: Float[Tensor, "name d_model"], names: Int[Tensor, " name"]
) -> Float[Tensor, "read raised"]:
    """What a head's value and output weights do to names: row i is a head that looks at name i
    alone, column j how far it raises the logit of name j, against the row's mean. Without the
    final norm's scale, so in arbitrary units.

    Args:
        head: layer, and number in the layer. Heads may share value weights: `model.W_V` is
            [layer, group, d_model, d_head], and each group serves as many neighbouring heads.
        x: the residual stream before the head's layer at each name's position; its block's norm,
            `model.blocks[layer].ln1`, comes first.
        names: the names' tokens.
    """
    ### BEGIN SOLUTION
    layer, number = head
    group = number * model.W_V.shape[1] // model.cfg.n_heads
    values = model.blocks[layer].ln1(x) @ model.W_V[layer, group]
    written = values @ model.W_O[layer, number]
    logits = (written * model.ln_final.weight) @ model.W_U[:, names]
    return logits - logits.mean(1, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
ov_on_names = lesson_13.check_ov_on_names(ov_on_names)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Four products in a row: the stream through `ln1`, times the group's `W_V`, times the head's own `W_O`; then
# `model.ln_final.weight` (not `ln_final(...)`, which has a scale), and the names' columns of `W_U`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Here 9 heads share 3 groups, so heads 0 to 2 use group 0, and 3 to 5 group 1. `model.W_V.shape[1]` is the
# number of groups.
#
# </details>

# %% [markdown]
# What stands at a name's position before layer 23? Two guesses: the name's embedding; or the embedding plus
# what MLP 0 makes of it alone.

# %% tags=["folded"]
# Of how many names is the name itself raised most, or lowered most?
from utils.heads import random_heads

thirty = ioi.NAMES + ioi.OTHER_NAMES + ioi.UNSEEN_NAMES
ids = torch.cat([model.to_tokens(" " + name, prepend_bos=False)[0] for name in thirty])
embedding, block = model.W_E[ids], model.blocks[0]
guesses = {
    "embedding": embedding,
    "embedding + MLP 0": embedding + block.mlp(block.ln2(embedding[None]))[0],
}


def first_and_last(head: tuple[int, int], x: torch.Tensor) -> tuple[float, float]:
    """For how many of the names is the name itself raised most, and lowered most?"""
    matrix, own = ov_on_names(model, head, x, ids), torch.arange(len(ids), device=ids.device)
    return tuple((pick(1) == own).float().mean().item() for pick in (matrix.argmax, matrix.argmin))


named = [(23, 3), *MOVERS, (24, 4), (29, 1), (29, 0)]
control = random_heads(
    30,
    layers=range(cfg.n_layers),
    n_heads=cfg.n_heads,
    but=named,
    generator=torch.Generator().manual_seed(0),
)
copies = {
    guess: {head: first_and_last(head, x) for head in [*named, *control]}
    for guess, x in guesses.items()
}
drawn = [
    torch.tensor([copies[guess][head][i] for head in control]) for guess in guesses for i in (0, 1)
]
plots.table(
    [
        (head_name(head), *(f"{share:.2f}" for guess in guesses for share in copies[guess][head]))
        for head in named
    ]
    + [("30 random heads: median, most", *(f"{x.median():.2f}, {x.max():.2f}" for x in drawn))],
    columns=[
        "own name is ...",
        *(f"{how}: {guess}" for guess in guesses for how in ("raised most", "lowered most")),
    ],
)

# %% [markdown]
# With MLP 0 the weights agree with section 3. L23H3 lowers the name it reads most of all, for every one of the 30
# names, and so does L24H4. L23H0, L23H1 and L23H2 raise it for every one. None of
# the 30 random heads does either. With the bare embedding nothing of this can be seen in layer 23: L23H0 would seem to copy *no* name. A
# score from weights is only as good as the guess of what the head reads.
#
# And the two heads of layer 29, which look at END itself? There they would read what END already predicts. They
# do the same to the bare embedding, which in this model is also `W_U`: L29H1 raises the name that it reads, and
# L29H0 lowers it. That fits two heads that echo a prediction, one louder and one softer.

# %% tags=["numbers"]
with_mlp, bare = copies["embedding + MLP 0"], copies["embedding"]
assert with_mlp[23, 3][1] == with_mlp[24, 4][1] == 1
assert min(with_mlp[23, h][0] for h in range(3)) == 1 and bare[23, 0][0] < 0.1
assert max(with_mlp[head][i] for head in control for i in (0, 1)) < 1
assert bare[29, 1][0] > 0.9 and bare[29, 0][1] > 0.9

# %% [markdown]
# ## Going deeper: all movers at once (8 minutes)
#
# In the paper, other heads begin to move the name once the name movers are gone: *backup name movers*. So
# ablate all movers of layer 23 together. A first report could read: "the difference hardly changes, accuracy
# stays, so the model can do without movers". What would you look at before you believe it?

# %% tags=["folded"]
# Your waterfall without all movers: of the difference, of IO, and of S.
gone = at_end("report", MOVERS)
change = logit_diffs("report", gone) - diff["report"]


def to_name(number: int) -> Callable:
    return lambda b: name_directions(model.W_U, b.io, b.s, NAMES["report"])[number]


by_target = {
    "logit difference": falls("report", 23, gone),
    "IO": falls("report", 23, gone, to_name(0)),
    "S": falls("report", 23, gone, to_name(1)),
}
figures.waterfalls(
    by_target,
    title="Without the movers of layer 23: what is repaired?",
    y="change (logits)",
)

# %% tags=["folded"]
# What the mean hides: single prompts, the first choice, and the two largest reactions.
repair = change - by_target["logit difference"]["direct"]
low, high = bootstrap(repair)


def first_choice(which: str, runs: list[tuple]) -> torch.Tensor:
    """1 where IO is the first choice of all 49,152 tokens, else 0."""
    return over(which, lambda batch, run: (run[0][:, -1].argmax(-1) == batch.io).float(), runs)


firsts = {
    "as usual": first_choice("report", usual["report"]).mean(),
    "without movers": first_choice("report", gone).mean(),
}
reacts = {to: reactions("report", 23, gone, to_name(i)) for i, to in enumerate(("IO", "S"))}
helpers = top_heads((reacts["IO"] - reacts["S"]).mean(-1), 2)
plots.table(
    [
        ("change of the difference", show(change)),
        (
            "measured less direct, paired: 95% interval",
            f"{repair.mean():.2f}: {low:.2f} to {high:.2f}",
        ),
        ("mean |change| of a prompt", f"{change.abs().mean():.2f}"),
        (
            "IO above S, before and after",
            f"{accuracy(diff['report'])}, {accuracy(diff['report'] + change)}",
        ),
        (
            "IO first of all tokens, before and after",
            ", ".join(f"{x:.2f}" for x in firsts.values()),
        ),
        *(
            (
                f"{head_name(head)} raises IO, S more by",
                f"{show(reacts['IO'][head])}, {show(reacts['S'][head])}",
            )
            for head in helpers
        ),
    ],
    columns=["report, without the movers", ""],
)

# %% [markdown]
# The report is right about the mean alone. A single prompt changes by about one logit, up or down. And both names
# fall: IO loses **3.1** logits against the other names, nearly all that the movers
# wrote. It is the first choice in **0.78** of the prompts before, and in **0.30** after.
#
# What is repaired is the *difference*, by about one logit in the paired comparison. The two heads in the table, which react most, lowered IO before, and lower it less now.
# Neither is a backup mover.

# %% tags=["numbers"]
assert 0.9 < change.abs().mean() < 1.5
claim("IO, measured", sum(by_target["IO"].values()).mean(), text=-3.1, within=0.4)
claim("first choice", firsts["as usual"], text=0.78, within=0.08)
claim("first choice without movers", firsts["without movers"], text=0.3, within=0.045)
assert 0.8 < repair.mean() < 1.4
assert low > 0.5 and helpers[0] == (24, 4)
assert (
    by_target["IO"]["direct"].mean() < -2.5 and by_target["logit difference"]["norm"].mean() > 0.15
)
assert all(raised["report"]["IO"][head].mean() < 0 for head in helpers)
assert reacts["IO"].mean(-1).flatten().topk(3).values[2] < 0.4, (
    "no backup: what lowered IO lowers it less"
)

# %% [markdown]
# ## What you found


# %% tags=["results"]
def both(head: tuple[int, int], which: str = "report") -> str:
    return f"{by_head[which][head].mean():z.2f}, {changes[which][head].mean():z.2f}"


plots.table(
    [
        (
            "logit difference, IO above S",
            f"{diff['report'].mean():.1f}, {accuracy(diff['report'])}",
            f"third name: {diff['third name'].mean():z.1f}",
            "3.56, 99.3%",
        ),
        (
            "the strongest head",
            f"L23H3 looks at S2, lowers S by {-raised['report']['S'][23, 3].mean():.1f}",
            f"third name at S2: lowers that by {-lowered['third name'].mean():.1f}",
            "name movers look at IO, raise it",
        ),
        (
            "L23H3: attribution, change without it",
            both((23, 3)),
            f"other words: {both((23, 3), 'confirm')}",
            "",
        ),
        (
            "a name mover: the same",
            f"L23H0 {both((23, 0))}",
            f"other words: {both((23, 0), 'confirm')}",
            "",
        ),
        (
            "a head like S-inhibition: the same",
            f"{silent_name} {both(invisible_head)}",
            f"beyond its controls: {silent_beyond[0]:.2f}",
            "4 S-inhibition heads",
        ),
        (
            "all movers of layer 23: change",
            show(change),
            f"IO alone: {sum(by_target['IO'].values()).mean():.1f}",
            "backup name movers step in",
        ),
    ],
    columns=["", "SmolLM2-135M-Instruct", "control", "GPT-2 small (paper, not measured here)"],
)

# %% [markdown]
# **What did not replicate.** The strongest head lowers S, and is no name mover. Without the movers no backup begins
# to move names: a head that lowers IO lowers it less, and the norm helps.
#
# ## Questions to discuss
#
# 1. L29H1 and L29H0 seem to echo a prediction, one louder and one softer. How would you test that?
# 2. Which prompt tells "lower the name of the giver" from "lower the last name"?
#
# ## Common mistakes
#
# - Each head divided by its own scale: the terms do not sum, and small ones look large.
# - A rise of the *difference* read as a rise of the right answer.
# - "Not significant" read as "nothing happens": look at single prompts, and at another metric.
# - A head called by a name from a paper before looking where it looks.
#
# ## Where this breaks
#
# Attribution is exact only because the scale is held fixed, and it counts the last step of every path alone.
# The mean that replaces a head is a choice (lesson 1.4 makes another). All prompts tell of someone who gives
# something to someone.
#
# ## Further reading
#
# - Wang et al. (2022), *Interpretability in the Wild*, arXiv 2211.00593
# - McDougall et al. (2023), *Copy Suppression*, arXiv 2310.04625, on negative name movers
# - McGrath et al. (2023), *The Hydra Effect*, arXiv 2307.15771, on self-repair
# - Rushing and Nanda (2024), *Explorations of Self-Repair in Language Models*, arXiv 2402.15390
# - TransformerLens: `tools.analysis.direct_logit_attribution`, for models with folded norms
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [1.2 · How induction is made](12_how_induction_is_made.ipynb) | **Next:** [1.4 · Patching: what moves, and when?](14_patching.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/12_how_induction_is_made.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/14_patching.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("13")
