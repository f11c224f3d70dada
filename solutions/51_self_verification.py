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
# # 5.1 · How a reasoning model checks itself
#
# [![Open lesson 5.1 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.5 · Model diffing: what did fine-tuning add?](45_model_diffing.ipynb) | **Next:** [5.2 · Keep thinking or stop](52_keep_thinking.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/45_model_diffing.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/52_keep_thinking.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. follow a verdict **top-down**, from the word that is said to neurons, and **bottom-up**, from the number that is looked at to heads, and let the two meet;
# 2. run a published protocol step by step, beside the controls and the measures that it lacks;
# 3. find out with matched donors what a head carries, and not only that it is needed.
#
# **Time** 70 minutes for the core, and an hour for *Going deeper*. **Needs** lesson 2.1: probes; 1.4: patching; 1.3: what heads and MLPs write.
# **Runs** in about two minutes on a laptop's processor.
#
# **First, play.** The third cell shows a model that searches for a sum and judges its own tries, twice: as it is, and with one of its 48 heads ablated wherever it is about to judge.
# Change the numbers and the target, and run it again. What does the second one do when it has hit the target?

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
import json, random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.countdown import task as countdown
from utils import plots, stats
from utils.cases import verification
from utils.cases.verification import Places, without_neurons
from utils.checks import lesson_51
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.heads import Head, head_name, random_heads, top_heads
from utils.lesson import claim
from utils.models import load
from utils.reading import probes

model = load("countdown/seed_0")
n_layers, n_heads, device = model.cfg.n_layers, model.cfg.n_heads, model.cfg.device
shipped = json.loads((root / "data" / "countdown" / "report.json").read_text())

mine = countdown.Puzzle(numbers=(12, 7, 4), target=15)  # yours: 3 or 4 numbers from 1 to 32
one = [(1, 0)]  # section 5 finds it


def told(heads) -> str:
    """What the model writes, with these heads ablated wherever it is about to judge."""
    words = verification.write(model, [mine.header])
    first = verification.brackets(model, [mine], words).take(torch.tensor([0]))
    (rest,) = verification.write_on(
        model, first, lambda at: verification.without_heads(model, heads, at=at), n_tokens=60
    )
    return " ".join([*mine.header, *words[0][: words[0].index("(") + 1], *rest])


print("As it is:          ", told([]))
print("One head ablated:  ", told(one))

# %% [markdown]
# ## 1. A model that says when it is done
#
# The game is CountDown: reach a target from three or four numbers by + and -, using each once. The model tries, judges the try in brackets, and goes on until it is content. The word after a `(` is its **verdict**: `this works` accepts the try, `not 15` rejects it and names the target.
#
# As it is, the model stops at its first success. With one head ablated it says of the target that it is *not* the target, and goes on searching. How would you have found this head?
#
# Lee and others asked how a reasoning model verifies its own answers (arXiv 2504.14379). A chain of thought need not say what a model computes, so they looked for the check in its hidden states. Their model, Qwen2.5-3B, learnt CountDown by reinforcement learning, and its texts collapsed into one form, in which each try ends in `(this works)` or `(not 62)`: thousands of verdicts, all at the same kind of position.
#
# Yours has 600,000 parameters in 6 layers of 8 heads, and imitates searches that a program wrote, whose verdicts are all right. So you study how *this* model checks, by *their* method. The part of a text up to the colon is its **header**; up to seven filler words stand before `make`, so that the target has no fixed position.
#
# Here is the hypothesis. Each arrow is a claim to test, and the picture comes back at the end, coloured.

# %%
BOXES = {
    "target<br>in the header": (0, 0),
    "result<br>just written": (1.6, 0),
    "heads that attend<br>to the target": (0, 1),
    "comparison": (0.8, 2),
    "valid and invalid<br>neurons": (0.8, 3),
    "verdict: the word<br>after the bracket": (0.8, 4),
}
ARROWS = [
    ("target<br>in the header", "heads that attend<br>to the target"),
    ("heads that attend<br>to the target", "comparison"),
    ("result<br>just written", "comparison"),
    ("comparison", "valid and invalid<br>neurons"),
    ("valid and invalid<br>neurons", "verdict: the word<br>after the bracket"),
]
figures.diagram(BOXES, ARROWS, title="The hypothesis: how a result becomes a verdict")

# %% [markdown]
# A verdict is due at each `(` after a number. Such a position is a **hit** if the number *is* the target, and a **miss** if not, whatever the model says.
#
# The cell lets the model write searches for 200 puzzles that it has not learnt from. Probes, neurons and heads are *chosen* on the first half. What they do is *measured* on the second: at hits that the model accepts and misses that it rejects.

# %%
chosen, hits, misses, ability = verification.judged_positions(model, 200)
is_hit, accepts = chosen.hit.cpu(), verification.accepted(model, chosen)
known = {"hits": chosen.where(is_hit & accepts), "misses": chosen.where(~is_hit & ~accepts)}
print({name: round(value, 3) for name, value in ability.items()})
print(f"{len(chosen.pos)} positions to choose on; {len(hits.pos)} hits, {len(misses.pos)} misses")

# %% [markdown]
# The model solves **0.83** of the puzzles. What you study is its verdicts, and nearly all of them are right.

# %% tags=["numbers"]
claim("solved", ability["solved"], text=0.83, within=0.05)
assert ability["verdicts right"] > 0.99

# %% [markdown]
# ## 2. Top-down: where can the verdict be read?
#
# **Top-down** means from the word that is said back to what made it. The first step is lesson 2.1's: a probe at each layer, for hits against misses. You look at three positions: the `=`, where the sum is not written yet (a control), the **result** itself, and the **bracket** after it.

# %%
labels = is_hit.int()


def auc_by_layer(back: int, labels=labels) -> list[float]:
    """How well a probe of each layer tells hits from misses, so many tokens before the bracket."""
    fit, *test = (verification.resid_at(model, some, back=back) for some in (chosen, hits, misses))
    found = [probes.mean_difference(layer, labels) for layer in fit]
    return [
        verification.verdict_auc(*(probe.scores(part[layer]) for part in test))
        for layer, probe in enumerate(found)
    ]


auc = {place: auc_by_layer(back) for place, back in verification.SPOTS.items()}
plots.lines(
    {"at the bracket": auc["bracket"], "at the result": auc["result"], "at = (control)": auc["="]},
    title="Where can a probe tell hits from misses?",
    x="layer (the stream before block L; 6 is after the last block)",
    y="AUC on other puzzles",
    chance=0.5,
).update_xaxes(dtick=1)

# %% [markdown]
# At the bracket the verdict is there before block 2 (AUC **0.99**), and it is not there before block 1 (**0.56**). The result and the `=` stay below `0.7`. So what the verdict needs comes together *at the bracket*, and early.
#
# (A probe finds what a straight line can read; the result could hold something that none can.)

# %% tags=["numbers"]
claim("bracket, before block 2", auc["bracket"][2], text=0.99, within=0.02)
claim("bracket, before block 1", auc["bracket"][1], text=0.56, within=0.07)
assert max(*auc["result"], *auc["="]) < 0.7 and min(auc["bracket"][2:]) > 0.95

# %% [markdown]
# ## 3. Top-down: the neurons that write the verdict
#
# The MLPs here are **gated linear units** (GLU), as in Qwen. A neuron reads the stream $x$ with a *gate* vector $g$ and an *up* vector $u$, and writes its *out* vector $o$, times $\text{silu}(g \cdot x)\,(u \cdot x)$. The paper takes the neurons whose out vector points along the probe: **valid** neurons write along it, **invalid** ones against it.
#
# As published, each layer of the upper half uses *its own* logistic probe, fitted at the bracket after its block; `verification.neurons_along` takes the neurons with the highest cosine. The authors take 50 of 11,008 neurons a layer and sign; we fixed 20 of 176 before we looked.

# %%
own = verification.own_probes(model, chosen)  # [layer, d_model]: each after its block, at brackets
valid = verification.neurons_along(model, own, 20)
invalid = verification.neurons_along(model, own, 20, sign=-1)
both = verification.both(valid, invalid)
says = (model.W_out @ (model.W_U * model.ln_final.weight[:, None])).detach().cpu()
THIS, NOT = verification.YES_TOKENS[0], verification.NO_TOKENS[0]
for_this = says[..., THIS] > says[..., NOT]  # [layer, neuron]
for name, some in (("valid", valid), ("invalid", invalid)):
    share = torch.stack([for_this[layer][some[layer]].float().mean() for layer in some]).mean()
    print(f"{name} neurons whose out vector promotes `this` above `not`: {share:.2f}")

# %% [markdown]
# Are they *needed*? As published: set them to 0 at the bracket only, let the model write on for 50 tokens, and read what it writes. (Whenever the last word is a `(`, the next word comes from a run with the neurons at 0: `verification.write_on`.) The check counts as **disabled** if the text neither says `this works` nor ends.

# %%
predict(
    "51.neurons",
    "Valid and invalid neurons at 0: in what share of hits is the check disabled? The paper: 0.45.",
    choices=["below 0.1", "0.1 to 0.6", "above 0.6"],
)

# %%
rows = {
    "nothing": lambda at: nullcontext(),
    "GLU valid": lambda at: without_neurons(model, valid, at=at),
    "GLU valid and invalid": lambda at: without_neurons(model, both, at=at),
}
some_neurons = verification.random_neurons(
    40, layers=valid, d_mlp=model.cfg.d_mlp, generator=torch.Generator().manual_seed(0)
)
rows["as many random neurons"] = lambda at: without_neurons(model, some_neurons, at=at)
measured = {name: verification.measured(model, hits, misses, rows[name]) for name in rows}
without_both = measured["GLU valid and invalid"]["disabled"]
outcome(
    "51.neurons",
    "below 0.1" if without_both < 0.1 else "0.1 to 0.6" if without_both <= 0.6 else "above 0.6",
)


def shown(found: dict[str, float]) -> tuple[str, ...]:
    """What is left of the verdicts, as a row of a table."""
    left = found["gap"] / measured["nothing"]["gap"]
    return tuple(f"{value:.2f}" for value in (found["disabled"], left, found["auc"], found["sums"]))


COLUMNS = ["ablated", "disabled", "gap left", "AUC", "sums right"]
plots.table([(name, *shown(found)[:3]) for name, found in measured.items()], columns=COLUMNS[:4])

# %% [markdown]
# "Disabled" is the paper's measure, and it saturates: a verdict may lose most of its strength before a word changes. So two columns are added. **Gap left**: the mean log-odds of yes (`this`) against no (`not`) at hits minus that at misses, as a share of the whole model's. **AUC**: do verdicts still rank hits above misses?
#
# No check is disabled: this step did *not* replicate. But both kinds of neurons carry about a quarter of the gap (in six other trainings of this model a seventh to a half), and random ones little. Other layers write the verdict too: by section 2 it can be read long before block 3.

# %% tags=["numbers"]
whole = measured["nothing"]["gap"]
left = {name: found["gap"] / whole for name, found in measured.items()}
assert max(found["disabled"] for found in measured.values()) < 0.05
assert 0.6 < left["GLU valid and invalid"] < 0.85 < left["as many random neurons"]
yes_valid, yes_invalid = (
    [for_this[at][some[at]].float().mean() for at in some] for some in (valid, invalid)
)
assert min(yes_valid) > 0.6 > 0.4 > max(yes_invalid)
lost = [
    1 - each["GLU valid and invalid"]["gap"] / each["nothing"]["gap"]
    for each in (shipped[f"seed_{seed}"]["without"] for seed in range(6))
]
assert min(lost) > 0.12 and max(lost) < 0.52

# %% [markdown]
# ## 4. Bottom-up: heads that look at the target
#
# **Bottom-up** means from what a check must read. To judge a result, something must look at the target. As published: a head *attends* if, at the token before the bracket, it gives the target on average more than `0.1` of its attention. That token is the result. We also look from the bracket, since section 2 found the verdict there, and at misses too: a matching head would find the target at hits alone.

# %%
looks = {
    (place, kind): verification.attention(
        model, some, some.target, back=verification.SPOTS[place]
    ).mean(-1)
    for place in ("result", "bracket")
    for kind, some in known.items()
}
panels = [("result", "hits"), ("bracket", "hits"), ("bracket", "misses")]
plots.heatmap(
    {f"{place}, {kind}": looks[place, kind] for place, kind in panels},
    title="Which heads attend to the target, from the result and from the bracket?",
    x="head",
    y="layer",
    label="attention",
    ends=(0, 1),
)

# %% [markdown]
# From the bracket, L1H0 and L1H6 give the target nearly all of their attention, on misses as on hits. From the result, a few heads pass the threshold with far less.
#
# ### Exercise 1 · ablate heads at some places (12 minutes, medium)
#
# Write a context manager, so that `with without_heads(model, heads, at=at): ...` ablates heads at chosen places, or everywhere, in whatever runs inside.


# %% tags=["exercise:utils.cases.verification.without_heads"]
@contextmanager
def without_heads(
    model,
    heads: Sequence[Head],
    *,
    at: Places | None = None,
) -> Iterator[None]:
    """Within it, these heads write zeros: their output `hook_z` is zero-ablated.

    On leaving, also by an error, its own hooks go away and others stay. The `z` that a hook is
    given is not changed itself.

    Args:
        heads: pairs (layer, number), of any layers.
        at: of each place to zero the text, and the position in it: two tensors of one length, which
            go in pairs. All heads are zeroed at all places; without `at`, everywhere.
    """
    ### BEGIN SOLUTION
    numbers: dict[int, list[int]] = {}
    for layer, head in heads:
        numbers.setdefault(layer, []).append(head)

    def zero(z, hook):
        z = z.clone()
        for head in numbers[hook.layer()]:
            if at is None:
                z[:, :, head] = 0
            else:
                z[at[0], at[1], head] = 0
        return z

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", zero) for layer in numbers]):
        yield
    ### END SOLUTION


# %% tags=["check"]
without_heads = lesson_51.check_without_heads(without_heads)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Sort the heads by layer first. Each layer needs one hook, on `blocks.{layer}.attn.hook_z`, whose activation is [text, pos, head, d_head]. Open `model.hooks(fwd_hooks=[(name, function), ...])` in a `with`, and `yield` inside it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# One function serves all layers: `hook.layer()` says where it runs. Clone `z`. With `text, pos = at`, `z[text, pos, head] = 0` zeroes one head at the pairs of places. Without `at`, it is `z[:, :, head] = 0`.
#
# </details>

# %% [markdown]
# Two heads look at the target in the same way. Ablate each at the bracket.

# %%
for head in ((1, 0), (1, 6)):
    for name, some in (("hits", hits), ("misses", misses)):
        with without_heads(model, [head], at=some.at(0)):
            yes = verification.accepted(model, some).float().mean()
        print(f"{head_name(head)} ablated: {yes:.2f} of {name} accepted")

# %% [markdown]
# ## 5. The published rule, and one word more
#
# The paper ablates its attending heads wherever they occur in the text, and disables nearly all checks. Here is its rule, and the same rule with attention read at the bracket too, which section 2 suggests. Control: as many random heads. **Sums right** says whether the model still adds with these heads out of the *whole* text. (Lee and others choose three of their heads by a score of weights; you build it in *Going deeper*.)


# %%
def attending_from(*places: str) -> list[tuple[int, int]]:
    """The heads that attend to the target from any of these places, most attention first."""
    most = torch.stack([looks[place, "hits"] for place in places]).amax(0)
    return sorted(map(tuple, (most > 0.1).nonzero().tolist()), key=lambda head: -most[head])


def heads_out(heads):
    """A change: these heads out of the whole text, wherever a verdict is due, as published."""
    return lambda at: without_heads(model, heads)


rules = {
    "attending, from the result": attending_from("result"),
    "attending, from the bracket too": attending_from("result", "bracket"),
}
draw = torch.Generator().manual_seed(0)
target_heads = rules["attending, from the bracket too"]
pick = {"layers": range(n_layers), "n_heads": n_heads, "but": target_heads, "generator": draw}
ablated = {**rules, "L1H0 alone": [(1, 0)], "L1H6 alone": [(1, 6)]} | {
    f"as many random heads, draw {i}": random_heads(len(target_heads), **pick) for i in (1, 2)
}
for name, heads in ablated.items():
    measured[name] = verification.measured(model, hits, misses, heads_out(heads))
plots.table(
    [
        (name, " ".join(map(head_name, some)), *shown(measured[name]))
        for name, some in ablated.items()
    ],
    columns=[COLUMNS[0], "heads", *COLUMNS[1:]],
)

# %% [markdown]
# - **Attending heads as published**, read at the result: nothing is disabled. The heads that look at the target from the result are not needed.
# - **Read at the bracket too**: every check is disabled, the gap is gone, and the sums are right. One head does it, L1H0. L1H6 looks at the target just as much, and is hardly needed: **attention does not tell what a head is good for.**
# - **Random heads**, as many: these two draws hold heads that *sums* need, and break those; other draws change little. The attending heads take the checks, and leave the sums.
#
# "Disabled" means here that the model says no to everything. A model that fell back to yes would not count as disabled.
#
# Now six models that differ only by the seed of their training, with the same rules on 300 puzzles each. (`data/countdown/make.py` computed this, with the functions that you have just used.)

# %% tags=["folded"]
# The same in six models: the share of checks disabled.
SEEDS = [f"seed_{seed}" for seed in range(6)]
STEPS = {
    "GLU valid": "GLU valid",
    "GLU valid and invalid": "GLU valid and invalid",
    "attending, published": "attending, from the result",
    "attending, bracket too": "attending, from the bracket too",
}


def over(step: str, key: str = "disabled") -> list[float]:
    """One measure in each seed; the mean where there are several draws."""
    found = [shipped[name]["without"][step][key] for name in SEEDS]
    return [sum(each) / len(each) if isinstance(each, list) else each for each in found]


def gap_left(name: str, step: str) -> float:
    """Of a shipped study: the share of the gap that is left without something."""
    without = shipped[name]["without"]
    return without[step]["gap"] / without["nothing"]["gap"]


def draws_of(step: str, names=SEEDS, key: str = "disabled") -> list[float]:
    """One measure of all random draws, in some models."""
    return [each for name in names for each in shipped[name]["without"][step][key]]


plots.table(
    [
        (name, *(f"{shipped[name]['without'][step]['disabled']:.2f}" for step in STEPS))
        for name in SEEDS
    ],
    columns=["disabled by ablating", *STEPS.values()],
)

# %% [markdown]
# In the paper's model, GLU valid disabled `0.16`, both kinds of neurons `0.45`, and the attending heads `0.96`.
#
# Neurons disable nothing in any seed: that step did not replicate. (Ours are 20 of 176 a layer and sign, theirs 50 of 11,008.) Heads that attend from the result: nothing. From the bracket too: above **0.9** in five seeds. In `seed_2` heads look at the word *after* the target, where layer 0 has copied it. (*Going deeper* allows that word. Three random heads disable nearly nothing, but for one draw of 36.)
#
# So heads that attend to the target are needed, *from the place where the check is made*. The published rule looks one token before it. We widened it after we had seen `seed_0`; of the other five seeds four confirm that.


# %% tags=["numbers"]
bracket, wide = over("attending, bracket too"), over("attending, next word too")
assert max(over("GLU valid") + over("GLU valid and invalid") + over("attending, published")) < 0.005
assert min(bracket[:2] + bracket[3:]) > 0.9 and bracket[2] == 0 and wide[2] > 0.9
claim("least, bracket too", min(bracket[:2] + bracket[3:]), text=0.9, within=0.05)
assert sum(each > 0.5 for each in draws_of("random heads")) == 1
live, alone = measured["attending, from the bracket too"], measured["L1H0 alone"]
kept = shipped["seed_0"]["without"]["attending, bracket too"]
assert all(abs(live[key] - kept[key]) < 0.1 for key in ("disabled", "sums"))
assert max(abs(live["gap"] / whole), abs(gap_left("seed_0", "attending, bracket too"))) < 0.05
assert measured["attending, from the result"]["disabled"] < 0.05 < 0.9 < live["disabled"]
assert (
    alone["disabled"] > 0.9
    and measured["L1H6 alone"]["disabled"] < 0.3
    and min(alone["sums"], live["sums"]) > 0.95
)
by_luck = [found for name, found in measured.items() if "random heads" in name]
assert all(found["sums"] < 0.5 or found["gap"] > 0.5 * whole for found in by_luck)
assert {(1, 0), (1, 6)} <= set(rules["attending, from the bracket too"])

# %% [markdown]
# ## 6. Heads out: do the verification neurons fall silent?
#
# Do the neurons and the heads meet? With the heads out, the valid neurons should stop responding. A neuron's activity is its factor of the out vector, `mlp.hook_post`; its **response** is its mean activity at hits minus that at misses. Control: the other heads of layer 1.

# %%
neurons = [(layer, neuron) for layer in valid for neuron in valid[layer].tolist()]
others = [(1, head) for head in range(n_heads) if (1, head) not in target_heads]
response = {}
for name, heads in {
    "nothing out": [],
    "attending heads out": target_heads,
    "other heads of layer 1 out": others,
}.items():
    means = []
    for some in (hits, misses):
        with without_heads(model, heads, at=some.at(0)):
            means.append(verification.neuron_activity(model, some, neurons).mean().item())
    response[name] = means[0] - means[1]
print({name: round(value, 2) for name, value in response.items()})

# %% [markdown]
# Without the attending heads the valid neurons treat a hit like a miss. Without the other heads of the same layer they still tell them apart. So the chain holds in this direction: heads, then neurons, then a part of the verdict. It holds in all six seeds.

# %% tags=["numbers"]
assert abs(response["attending heads out"]) < 0.1 * response["nothing out"]
assert response["other heads of layer 1 out"] > 0.8 * response["nothing out"]

# %% [markdown]
# ## 7. Needed is not enough: what do the heads carry?
#
# A head whose removal stops the check is *needed*. What does it *carry*? Three answers fit all that you have seen:
#
# - A. the **verdict**: "this is a hit";
# - B. a **match**: in a hit the number that matched, and in a miss nothing;
# - C. the **value** of the target, in any case. The comparison comes later.
#
# Lesson 1.4's patching can tell: put the heads' states from a **donor**, another position, into a miss, at the bracket. Suppose that a colleague has used three kinds of donor: another miss; a hit with another target; and a *matched hit*, whose target is the number that this miss has as its result. Of these three, the model accepts the miss from the matched hit alone. "So the heads carry a match", says your colleague.
#
# Does that follow? Note for A, B and C what each predicts for these three donors, and which fourth kind would tell B from C, before you read on.
#
# ### Exercise 2 · the missing donor (8 minutes, medium)
#
# Write the function that finds donors of all four kinds.


# %% tags=["exercise:utils.cases.verification.allowed_donors"]
def allowed_donors(
    target: Int[Tensor, " donor"],
    result: Int[Tensor, " donor"],
    wanted: Int[Tensor, " position"],
    *,
    hit: bool,
    matched: bool,
) -> Bool[Tensor, "position donor"]:
    """Which donors may give their state to which position, for one of four kinds of donor.

    Args:
        target, result: of each donor. It is a hit where the two are equal, and a miss elsewhere.
        wanted: of each position that is changed, the number that it has as its result. A donor is
            *matched* to the position if the donor's target is this number, whatever its result.
        hit: whether the donor shall be a hit, or else a miss.
        matched: whether it shall be matched, or else not.
    """
    ### BEGIN SOLUTION
    is_hit = target == result
    is_matched = target == wanted[:, None]
    return (is_hit == hit) & (is_matched == matched)
    ### END SOLUTION


# %% tags=["check"]
allowed_donors = lesson_51.check_allowed_donors(allowed_donors)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two questions, each with True or False: is the donor a hit (one answer a donor), and is it matched to this position (one answer for each position and donor)? Compare each with what is asked for.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `target == wanted[:, None]` has shape [position, donor]. `(a == b)` of two booleans is True where they agree; join the two conditions with `&`.
#
# </details>

# %%
predict(
    "51.donors",
    "From which of the four donors will the model accept a miss?",
    choices=["both hits", "the matched hit alone", "the matched hit and the matched miss"],
)

# %%
early = chosen.where(chosen.pos < 64)  # short texts run faster


def patched(heads, *, swap: bool = False) -> dict[str, float]:
    """Misses accepted with heads' states put in at the bracket, for each kind of donor."""
    how = {"allowed": allowed_donors, "swap": swap, "heads": heads, "backs": (0,)}
    return verification.donor_cells(model, early, misses, **how)


cells = {
    "attending heads": patched(target_heads),
    "L1H0 alone": patched([(1, 0)]),
    "L1H6 alone": patched([(1, 6)]),
    "other heads of layer 1": patched(others),
}
high = {kind for kind, share in cells["attending heads"].items() if share > 0.5}
any_hit, any_match = "other hit" in high, "matched miss" in high
outcome(
    "51.donors",
    "both hits"
    if any_hit
    else "the matched hit and the matched miss"
    if any_match
    else "the matched hit alone",
)
plots.table(
    [(name, *(f"{share:.2f}" for share in found.values())) for name, found in cells.items()],
    columns=["misses accepted, states from", *verification.KINDS],
)

# %% [markdown]
# The heads carry the **value** (C). A matched *miss* does as well as a matched hit: its heads hold the target's value, and nothing that says whether their own text was a hit. L1H0 does nearly all of it; L1H6 carries nothing that counts. Your colleague's three donors could not show this, since B and C agree on them.
#
# **The other side.** A comparison needs two numbers. Who brings the *result* to the bracket? Layer 0 has true previous-token heads. For them exchange the two numbers everywhere: a miss with the target 15 gets their states from a text whose *result* is 15. (`swap=True` hands your function the two numbers exchanged.)

# %%
to_result = verification.attention(model, known["hits"], known["hits"].pos - 1).mean(-1)
previous = [(0, head) for head in range(n_heads) if to_result[0, head] > 0.5]
rest = [(0, head) for head in range(n_heads) if (0, head) not in previous]
print("previous-token heads of layer 0:", " ".join(map(head_name, previous)))
cells["previous-token heads of layer 0"] = patched(previous, swap=True)
cells["other heads of layer 0"] = patched(rest, swap=True)
plots.table(
    [(name, *(f"{share:.2f}" for share in cells[name].values())) for name in list(cells)[-2:]],
    columns=["misses accepted, states from", *verification.KINDS],
)

# %% [markdown]
# The same pattern: these heads carry the value of the result. So both numbers come to the bracket, each by heads of its own. (Ablation would not have shown it: without *either* group of layer 0 at the bracket, most checks are disabled.)

# %% tags=["numbers"]
mirror = cells["previous-token heads of layer 0"]
for found in (cells["attending heads"], cells["L1H0 alone"], mirror):
    assert min(found["matched hit"], found["matched miss"]) > 0.7
    assert max(found["other hit"], found["other miss"]) < 0.1
for name in ("L1H6 alone", "other heads of layer 1", "other heads of layer 0"):
    assert max(cells[name].values()) < 0.1
for heads in (previous, rest):
    text = verification.write_on(
        model, hits, lambda at, heads=heads: without_heads(model, heads, at=at), n_tokens=20
    )
    assert verification.outcomes(text)["disabled"] > 0.6

# %% [markdown]
# ## 8. Where are the two compared?
#
# In section 2 the verdict can be read before block 2 and not before block 1. Is MLP 1, between the two, the comparison? Ablate it at the bracket, and ask twice: can a (new) probe still read the verdict before block 2? And does the model still *say* it? Then ablate all MLPs from block 1 on.

# %% tags=["folded"]
# MLP 1 ablated at the bracket, and all MLPs from block 1 on.
mlps = {layer: torch.arange(model.cfg.d_mlp) for layer in range(1, n_layers)}


def mlps_out(some: dict):
    """A change: all neurons of these layers are ablated at the bracket."""
    return lambda at: without_neurons(model, some, at=at)


without_mlp = {
    "MLP 1": verification.measured(model, hits, misses, mlps_out({1: mlps[1]})),
    "MLPs from 1 on": verification.measured(model, hits, misses, mlps_out(mlps)),
}
probe_before_2 = []  # with MLP 1 ablated, on the half for choosing, hits and misses
for some in (chosen, hits, misses):
    with mlps_out({1: mlps[1]})(some.at(0)):
        probe_before_2.append(verification.resid_at(model, some)[2])
probe = probes.mean_difference(probe_before_2[0], labels)
blind = verification.verdict_auc(*(probe.scores(part) for part in probe_before_2[1:]))
plots.table(
    [
        ("nothing", f"{auc['bracket'][2]:.2f}", "1.00"),
        ("MLP 1", f"{blind:.2f}", shown(without_mlp["MLP 1"])[1]),
        ("MLPs 1 to 5", "", shown(without_mlp["MLPs from 1 on"])[1]),
    ],
    columns=["ablated at the bracket", "AUC of a probe before block 2", "gap left"],
)

# %% [markdown]
# MLP 1 makes the verdict readable there: without it, the probe finds nearly nothing. And the model says its verdicts as before, with **0.94** of the gap. **What a probe can read need not be what the model uses.** Here other MLPs can do without it; with all five ablated, no gap is left.
#
# Models that were trained alike differ in this: two of six seeds lose nearly their whole gap with MLP 1 (*Going deeper*, C). Ablating five MLPs at once is a coarse cut: it shows that they are needed together, and not that nothing else takes part.

# %% tags=["numbers"]
left_without = {name: each["gap"] / whole for name, each in without_mlp.items()}
claim("gap left, MLP 1 out", left_without["MLP 1"], text=0.94, within=0.04)
assert abs(left_without["MLPs from 1 on"]) < 0.1 and blind < 0.7 < 0.95 < auc["bracket"][2]

# %% [markdown]
# Here is the hypothesis again. Orange is what the four donors support; no donors were tried on the rest.

# %%
FOUND = {
    "target<br>in the header": (0, 0),
    "result<br>just written": (2, 0),
    "L1H0 attends<br>to the target": (0, 1),
    "previous-token heads<br>of layer 0": (2, 1),
    "both values<br>at the bracket": (1, 2),
    "MLPs 1 to 5<br>compare?": (1, 3),
    "valid and invalid neurons<br>in MLPs 3 to 5": (0, 4),
    "verdict: the word<br>after the bracket": (1, 5),
}
LINKS = [
    ("target<br>in the header", "L1H0 attends<br>to the target"),
    ("result<br>just written", "previous-token heads<br>of layer 0"),
    ("L1H0 attends<br>to the target", "both values<br>at the bracket", "value"),
    ("previous-token heads<br>of layer 0", "both values<br>at the bracket", "value"),
    ("both values<br>at the bracket", "MLPs 1 to 5<br>compare?"),
    ("MLPs 1 to 5<br>compare?", "verdict: the word<br>after the bracket"),
    (
        "MLPs 1 to 5<br>compare?",
        "valid and invalid neurons<br>in MLPs 3 to 5",
    ),
    ("valid and invalid neurons<br>in MLPs 3 to 5", "verdict: the word<br>after the bracket"),
]
figures.diagram(
    FOUND, LINKS, title="What was found: two values meet at the bracket", marked=list(FOUND)[2:5]
)

# %% [markdown]
# ## 9. An unknown model
#
# ### Investigation · disable it in ten ablations (15 minutes, medium)
#
# Here is a model that you have not met. It plays the same game, but it has another size and another training. Find **at most three heads** that take its check away: out of the whole text, they leave at most `0.1` of the gap, and at least `0.95` of the sums right.
#
# Looking is free: at weights, probes, and attention, such as `verification.attention(lab.model, lab.hits, lab.hits.target, back=1)`, every head's from the result to the target, [layer, head, position]. An ablation by `lab.without(heads)` is counted, and you have ten, of which the cell below spends one. `lab.hand_in(heads)` measures your answer on *other* puzzles, three times at most.

# %%
lab = verification.Lab(load("countdown/three_layers"), ablations=10)
print(lab.model.cfg.n_layers, "layers of", lab.model.cfg.n_heads, "heads;", lab.without([]))

# %% tags=["solution-only"]
seen = {
    place: verification.attention(lab.model, lab.hits, lab.hits.target, back=back).mean(-1)
    for place, back in verification.SPOTS.items()
}
print(lab.hand_in(top_heads(seen["result"], 3)))  # from the bracket, none attends

# %% [markdown]
# The answer is what `lab.hand_in(heads)` returned, as it stands.

# %% tags=["answer:disabled"]
### BEGIN SOLUTION
disabled = {"heads": [(1, 3), (1, 5), (1, 4)], "gap left": 0.02, "sums right": 1.0}
### END SOLUTION

# %% tags=["check"]
disabled = lesson_51.check_disabled(disabled)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Do not assume the place. Where can this model's verdict be read first: at the result, or at the bracket? `back=1` looks from the result, and `back=0` from the bracket.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Members of a group stand in for each other: one at a time, each may look harmless. Ablate the most attending together, then exchange one at a time. A head without which no sum is right is no answer.
#
# </details>

# %% [markdown]
# There are at least two right answers. L1H3, L1H5 and L1H4 attend from the *result* to the target. L2H0 and L2H2 attend from the bracket back to the result, and hardly to the target. Ablation cannot tell the two sets apart: each leaves almost nothing of the gap, and all sums. Do they carry the same?

# %%
predict(
    "51.carry",
    "States of L2H0 and L2H2 put into misses: from which donors will the model accept them?",
    choices=["both hits", "the matched hit alone", "the matched hit and the matched miss"],
)

# %% tags=["folded"]
# Four donors for each set of heads.
given, _, unsolved, _ = verification.judged_positions(lab.model, 120)
SETS = {
    "L1H3, L1H5, L1H4 at the result": ([(1, 3), (1, 5), (1, 4)], 1),
    "L2H0, L2H2 at the bracket": ([(2, 0), (2, 2)], 0),
    "L2H1, L2H3 at the bracket (control)": ([(2, 1), (2, 3)], 0),
}
sets = {
    name: verification.donor_cells(
        lab.model, given, unsolved, allowed=allowed_donors, heads=heads, backs=(back,)
    )
    for name, (heads, back) in SETS.items()
}
high = {kind for kind, share in sets["L2H0, L2H2 at the bracket"].items() if share > 0.5}
any_hit, any_match = "other hit" in high, "matched miss" in high
outcome(
    "51.carry",
    "both hits"
    if any_hit
    else "the matched hit and the matched miss"
    if any_match
    else "the matched hit alone",
)
plots.table(
    [(name, *(f"{share:.2f}" for share in found.values())) for name, found in sets.items()],
    columns=["misses accepted, states from", *verification.KINDS],
)

# %% [markdown]
# The first set carries a **value** (C), and the second the finished **verdict** (A): any hit will do, and no miss. (L2H0 and L2H2 look at the result on misses as on hits.) So the comparison is made in between. **By ablation the two sets look alike; one carries a number, and the other a verdict.**
#
# So in this model, `three_layers`, the check seems to be made at the *result*, one token before the bracket, where the paper looked. (It was taught with four words for each verdict.) Run the published rule on it, unchanged.

# %% tags=["folded"]
# The published rule on `three_layers`, and six draws of random heads.
three = shipped["three_layers"]["without"]
rows = [
    (
        name,
        f"{three[step]['disabled']:.2f}",
        f"{three[step]['gap'] / three['nothing']['gap']:.2f}",
        f"{three[step]['sums']:.2f}",
    )
    for step, name in STEPS.items()
]
found = (three["random heads"][key] for key in ("disabled", "gap", "sums"))
for i, (gone, gap, sums) in enumerate(zip(*found, strict=True), 1):
    row = (f"{gone:.2f}", f"{gap / three['nothing']['gap']:.2f}", f"{sums:.2f}")
    rows.append((f"3 random heads, draw {i}", *row))
plots.table(rows, columns=["three_layers, ablated", *COLUMNS[1:3], COLUMNS[4]])

# %% [markdown]
# The heads of the paper's rule disable **0.99** of the checks (paper: `0.96`). So in this one model, where the check is made at the place that the rule reads, its result replicates. But three of six random draws disable most checks too, with the sums right. (One head does this: without L0H5 a quarter of the gap is left.) So "disabled" is no proof by itself. The neurons disable nothing here either.

# %% tags=["numbers"]
claim("three_layers, attending", three["attending, published"]["disabled"], text=0.99, within=0.03)
assert three["attending, published"]["sums"] > 0.98
disabling = [
    (gap / three["nothing"]["gap"], sums)
    for gone, gap, sums in zip(
        *(three["random heads"][key] for key in ("disabled", "gap", "sums")), strict=True
    )
    if gone > 0.5
]
assert len(disabling) == 3 and min(sums for _, sums in disabling) > 0.98
assert all(0.14 < gap < 0.27 for gap, _ in disabling)
assert three["attending, published"]["gap"] / three["nothing"]["gap"] < 0.02
assert three["GLU valid and invalid"]["disabled"] == 0
accepted_from = (("matched hit", "matched miss"), ("matched hit", "other hit"), ())
for name, kinds in zip(SETS, accepted_from, strict=True):
    for kind, share in sets[name].items():
        assert share > 0.9 if kind in kinds else share < 0.1, (name, kind)
on_path = lab._measured([(0, 5)], lab.hits, lab.misses)
assert 0.15 < on_path["gap left"] < 0.35 and on_path["sums right"] > 0.95
result_pos = lab.misses.pos - 1
back_to_it = verification.attention(lab.model, lab.misses, result_pos).mean(-1)
assert min(back_to_it[2, 0], back_to_it[2, 2]) > 0.7
for heads, _ in list(SETS.values())[:2]:
    again = lab._measured(heads, lab.hits, lab.misses)
    assert again["gap left"] < 0.1 and again["sums right"] > 0.95

# %% [markdown]
# ## What you found


# %% tags=["results"]
def spread(step: str) -> str:
    """Lowest and highest share disabled over the six seeds."""
    return f"{min(over(step)):.2f} to {max(over(step)):.2f}"


def control(step: str, names: Sequence[str]) -> str:
    """Mean and highest share disabled over random draws, in some models."""
    found = draws_of("random neurons" if "GLU" in step else "random heads", names)
    return f"{sum(found) / len(found):.2f} (at most {max(found):.2f})"


PAPERS = {
    "GLU valid": ("GLU valid", "0.16"),
    "GLU valid and invalid": ("GLU valid and invalid", "0.45"),
    "attending, published": ("attending heads, as published", "0.96"),
    "top, published": ("3 of these by signed drive (Going deeper)", "0.95"),
    "attending, bracket too": ("attending heads, from the bracket too", ""),
    "by attention": ("3 heads of most attention", ""),
}
plots.table(
    [
        (
            name,
            spread(step),
            f"{three[step]['disabled']:.2f}",
            *(control(step, names) for names in (SEEDS, ["three_layers"])),
            paper,
        )
        for step, (name, paper) in PAPERS.items()
    ],
    columns=[
        "ablated: share of checks disabled",
        "six seeds (check at the bracket)",
        "three_layers (check at the result)",
        "control, six seeds: random neurons, or 3 random heads",
        "control, three_layers",
        "paper: Qwen2.5-3B",
    ],
)

# %% [markdown]
# ## Going deeper
#
# The core ends here. Each part stands on its own.
#
# ### A. Meeting in the middle by weights: the signed drive (20 minutes)
#
# Which of the attending heads write what opens the valid neurons? The authors' code scores a head by its **signed drive**. It takes the diagonal $d$ of the head's OV circuit, one number for each dimension of the stream: roughly what the head *copies*. Then it asks what each of the most valid neurons makes of $d$, $\text{silu}(g \cdot d)\,(u \cdot d)$, and takes the mean. The three attending heads with the highest drive are the paper's three: without them, `0.95` of its checks were disabled. (The paper calls them "previous-token heads", since they attend to an earlier occurrence of the same token. Elsewhere that is a *duplicate-token head*, and a *previous-token head* looks one token back, as those of section 7.)
#
# ### Exercise 3 · the signed drive (15 minutes, hard)


# %% tags=["exercise:utils.cases.verification.signed_drive"]
def signed_drive(model, neurons: Sequence[tuple[int, int]]) -> Float[Tensor, "layer head"]:
    """How far each head opens neurons with what it copies, signed: the mean over the neurons.

    A head's copying direction d is the diagonal of its OV circuit, W_V W_O, one entry for each
    dimension of the stream. What a neuron makes of it is silu(gate . d) (up . d), with the neuron's
    columns of `W_gate` and `W_in`. All neurons count for each head, and nothing is normalised.

    Args:
        model: `W_V` is [layer, kv_head, d_model, d_head], where several heads may share one (the
            first `n_heads / n_kv_heads` share the first); `W_O` is [layer, head, d_head, d_model];
            `W_gate` and `W_in` (up) are [layer, d_model, neuron].
        neurons: pairs (layer, neuron).

    Source: the code of Lee et al., 2025 (github.com/ajyl/verify_circuit).
    """
    ### BEGIN SOLUTION
    W_V, W_O = model.W_V.detach().float(), model.W_O.detach().float()
    W_V = W_V.repeat_interleave(W_O.shape[1] // W_V.shape[1], dim=1)
    copied = torch.einsum("lhdk,lhkd->lhd", W_V, W_O)
    gate = torch.stack([model.W_gate[layer, :, i].detach().float() for layer, i in neurons])
    up = torch.stack([model.W_in[layer, :, i].detach().float() for layer, i in neurons])
    opened = torch.nn.functional.silu(copied @ gate.T) * (copied @ up.T)  # [layer, head, neuron]
    return opened.mean(-1)
    ### END SOLUTION


# %% tags=["check"]
signed_drive = lesson_51.check_signed_drive(signed_drive)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Begin with one head: its OV circuit is `W_V[layer, kv] @ W_O[layer, head]`, [d_model, d_model], and you need the diagonal alone. Which `kv` has head 5, if four heads share each?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `W_V.repeat_interleave(n, dim=1)`, with `n` heads for each key-value head, gives every head its own copy. Then `torch.einsum("lhdk,lhkd->lhd", W_V, W_O)` is all diagonals at once. Stack the neurons' gate vectors `W_gate[layer, :, i]` and up vectors `W_in[layer, :, i]`: two products with the diagonals, [layer, head, neuron] each. `torch.nn.functional.silu` of the first, times the second, mean over the neurons.
#
# </details>

# %%
most_valid = verification.most_aligned(model, own, 40, each=20)  # theirs: 200 of all layers
drive = signed_drive(model, most_valid)
widest = sorted(target_heads, key=lambda head: -drive[head])
print("this model, highest drive first:", " ".join(map(head_name, widest)))
DRIVES = {
    "top, published": "3 by drive,<br>from the result",
    "top, bracket too": "3 by drive,<br>bracket too",
    "top, next word too": "3 by drive,<br>next word too",
    "by attention": "3 by attention,<br>next word too",
}
by_seed = {name: over(step) for step, name in DRIVES.items()}
plots.bars(
    {name: sum(found) / 6 for name, found in by_seed.items()},
    dots=by_seed,
    title="Does the drive choose the heads that matter? Dots: six seeds",
    y="checks disabled",
)

# %% [markdown]
# In `seed_0` L1H0 and L1H6, which attend most, come *last* by drive. Compare the last two bars, whose three heads come from the same pool ("next word too": also heads that attend to the word after the target). In no seed do the three of highest drive disable more than the three of most attention, and in five they disable much less. (In `seed_3` both rules choose the same three. From the smaller pool, `seed_5` comes to `0.89` by drive.) In `three_layers`, three by drive disable **0.83**. So here the neurons do not help to choose among the heads. Attention to the target, from the place where the check is made, finds three that matter, and others that do not.

# %% tags=["numbers"]
assert {*widest[-2:]} == {(1, 0), (1, 6)}
assert all(a >= b for a, b in zip(over("by attention"), over("top, next word too"), strict=True))
assert (
    sum(a > b + 0.3 for a, b in zip(over("by attention"), over("top, next word too"), strict=True))
    == 5
)
assert abs(over("top, bracket too")[5] - 0.89) < 0.01
study_3 = shipped["seed_3"]
assert {*map(tuple, study_3["next word too"]["top"])} == {*map(tuple, study_3["by attention"])}
claim("three_layers, top 3", three["top, published"]["disabled"], text=0.83, within=0.08)

# %% [markdown]
# ### B. Does reward for answers alone teach a check? (30 minutes)
#
# `base` read searches in which one verdict in five is wrong, and copied that. From it `rewarded` was trained on by **outcome reward**: it wrote eight texts for each puzzle, and a text got 1 if the first try that it accepted was legal and hit the target, and else 0. Nothing told it which verdict was right.
#
# The loss is the **policy gradient** (REINFORCE): each token that the model wrote is made likelier, or less likely, by its text's *advantage*, the reward compared with the puzzle's other texts.
#
# ### Exercise 4 · the policy gradient (15 minutes, hard)


# %% tags=["exercise:utils.cases.verification.policy_gradient_loss"]
def policy_gradient_loss(
    logits: Float[Tensor, "text pos d_vocab"],
    tokens: Int[Tensor, "text pos"],
    start: Int[Tensor, " text"],
    reward: Float[Tensor, "puzzle sample"],
) -> Float[Tensor, ""]:
    """The loss whose fall makes rewarded texts likelier: REINFORCE, with a baseline as in GRPO.

    A text's advantage is its reward less the mean of its puzzle's, over their standard deviation
    (`torch.std`) plus 1e-4. The loss is minus the mean, over all tokens that the model wrote in
    all texts together, of the advantage of their text times the natural log of their probability.
    Its gradient reaches `logits`.

    Args:
        logits: at position p, for the token at p + 1.
        tokens: padded on the right with 0, which nothing else is. All samples of the first puzzle
            come first, and so on.
        start: of each text, the position of the first token that the model wrote.
        reward: of each text, whose row in the others is `puzzle * n_samples + sample`.

    Source: Shao et al., 2024 (arXiv 2402.03300).
    """
    ### BEGIN SOLUTION
    advantage = (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)
    log_probs = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    at = torch.arange(1, tokens.shape[1], device=tokens.device)
    written = (at >= start[:, None]) & (tokens[:, 1:] > 0)
    return -(advantage.flatten()[:, None] * log_probs * written).sum() / written.sum()
    ### END SOLUTION


# %% tags=["check"]
policy_gradient_loss = lesson_51.check_policy_gradient_loss(policy_gradient_loss)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Three parts: the advantage of each text, the log-probability of each token that follows, and a mask of the tokens that the model wrote. The rewards' rows are puzzles; `.flatten()` puts them in the order of the texts.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]` belongs to the positions `torch.arange(1, tokens.shape[1])`. A position counts if it is `>= start[:, None]` and its token is not 0. Sum advantage times log-probability over what counts, divide by how many count, change the sign.
#
# </details>

# %% [markdown]
# What does this loss push? Take one batch that `base` wrote. At each bracket, the loss's gradient says how far it pushes `this` up against `not`. Control: the rewards of each puzzle's texts shuffled.

# %%
pair = {name: load(f"countdown/{name}") for name in ("base", "rewarded")}
drawn = verification.some_puzzles(24, generator=random.Random(3))
puzzles = [puzzle for puzzle in drawn for _ in range(8)]
headers = [puzzle.header for puzzle in puzzles]
sampled = {name: verification.write(each, headers, temperature=1.0) for name, each in pair.items()}
reward = torch.tensor(
    [
        float(countdown.solved(countdown.read(puzzle, words)))
        for puzzle, words in zip(puzzles, sampled["base"], strict=True)
    ]
).view(24, 8)
places = verification.brackets(pair["base"], puzzles, sampled["base"])
start = torch.tensor([1 + len(header) for header in headers])
logits = pair["base"](places.tokens).detach().cpu().requires_grad_()


def push(reward: torch.Tensor) -> dict[str, float]:
    """How far the loss pushes yes up against no, mean over hits and over misses (any unit)."""
    loss = policy_gradient_loss(logits, places.tokens.cpu(), start, reward)
    (gradient,) = torch.autograd.grad(-loss * places.tokens.numel(), logits)
    at_brackets = places.of(gradient.to(places.tokens.device)).cpu()
    up = at_brackets[:, THIS] - at_brackets[:, NOT]
    hit = places.hit.cpu()
    return {"at hits": up[hit].mean().item(), "at misses": up[~hit].mean().item()}


shuffles = [
    push(torch.stack([row[torch.randperm(8, generator=draw)] for row in reward])) for _ in range(6)
]
real = push(reward)
by_chance = {f"{kind}, shuffled": [each[kind] for each in shuffles] for kind in real}
plots.bars(
    {**real, **{name: sum(found) / len(found) for name, found in by_chance.items()}},
    dots=by_chance,
    title="Which way does outcome reward push the verdict? Dots: six shuffles",
    y="push of yes against no",
)

# %% [markdown]
# Yes is pushed up at hits and down at misses, although no verdict was ever rewarded. Shuffled rewards push less. A false yes ends the search with a wrong answer; a false no costs tries. So on this batch the reward of the answer pushes the verdict the right way.
#
# And does `rewarded` check with what `base` had? Fit each model's probe, and compare directions. Control: a probe of `seed_0`, whose coordinates have nothing to do with these.

# %%
likeliest = verification.write(pair["base"], [puzzle.header for puzzle in drawn])
can = {name: countdown.ability(puzzles, written) for name, written in sampled.items()}
can["base, likeliest words"] = countdown.ability(drawn, likeliest)
print({name: {key: round(value, 2) for key, value in found.items()} for name, found in can.items()})
both_read = verification.brackets(pair["rewarded"], puzzles, sampled["rewarded"])
fit_on, test_on = (both_read.where(part) for part in (both_read.text < 96, both_read.text >= 96))
directions = {
    name: verification.own_probes(each, fit_on)
    for name, each in {**pair, "seed_0 (control)": model}.items()
}
end = verification.resid_at(pair["rewarded"], test_on)[-1]  # [position, d_model]
any_way = torch.randn(200, end.shape[1], generator=draw)
aucs = torch.tensor([stats.auc(end @ way, test_on.hit.cpu().int()) for way in any_way])
extreme = ((aucs - 0.5).abs() > 0.4).float().mean()
print(f"random directions with an AUC above 0.9 or below 0.1, after the last block: {extreme:.2f}")
for name in pair:
    most = " ".join(map(head_name, shipped[name]["by attention"]))
    print(f"{name}: most attention {most}; without the attending heads", end=" ")
    print(f"{gap_left(name, 'attending, bracket too'):.2f} of the gap is left")
plots.table(
    [
        (
            f"probe of {name}",
            *(
                f"{torch.cosine_similarity(own_way[layer], directions['rewarded'][layer], dim=0):.2f}"
                for layer in range(1, n_layers)
            ),
        )
        for name, own_way in directions.items()
    ],
    columns=[
        "cosine with rewarded's probe",
        *(f"after block {layer}" for layer in range(1, n_layers)),
    ],
)

# %% [markdown]
# **What reward did.** Sampled at temperature 1, the base is right in about four verdicts of five, as it was taught, and the rewarded model in nearly all. But let the base write its *likeliest* words, and its verdicts are nearly all right, too. It had a check, and used it; what it had learnt besides was to err in one of five. Reward made the verdict sure: the gap is `3.0` nats in the base and `11.4` in `rewarded`. A lower temperature does much of the same.
#
# **Where it came from.** The verdict dominates the stream: most *random* directions tell hits from misses almost perfectly, one way round or the other. So a high AUC of the base's probe would be no evidence for a shared direction, and the table gives cosines. Where the verdict can be read, the base's direction is related to the rewarded model's, least after block 4; the control's is not. The heads are the base's, too: the three of most attention are the same, and without the attending heads the gap is gone in both. So here reward did not build a check: it sharpened one. What it does to a base that never saw a useful verdict, this pair cannot say.

# %% tags=["numbers"]
assert extreme > 0.6
assert real["at hits"] > max(abs(each["at hits"]) for each in shuffles)
assert -real["at misses"] > max(abs(each["at misses"]) for each in shuffles)
assert can["base"]["solved"] + 0.15 < can["rewarded"]["solved"]
assert can["base, likeliest words"]["verdicts right"] > 0.97
gaps = [shipped[name]["without"]["nothing"]["gap"] for name in pair]
assert abs(gaps[0] - 3.0) < 0.1 and abs(gaps[1] - 11.4) < 0.1
assert can["base"]["verdicts right"] < 0.9 < 0.97 < can["rewarded"]["verdicts right"]
alike = {
    name: torch.cosine_similarity(directions[name], directions["rewarded"], dim=-1)[1:]
    for name in directions
}
assert alike["base"][[0, 1, 2, 4]].min() > 0.5 > alike["base"][3]
assert alike["seed_0 (control)"].abs().max() < 0.25
for name in pair:
    assert abs(gap_left(name, "attending, bracket too")) < 0.05
looked = [set(map(tuple, shipped[name]["by attention"])) for name in pair]
assert looked[0] == looked[1]

# %% [markdown]
# ### C. All models (8 minutes)
#
# First the published protocol in one table, on 300 puzzles a model: the share of checks disabled, and the share of the gap that is left.

# %%
PROTOCOL = {"nothing": "nothing", **dict(list(STEPS.items())[:3]), "top, published": "3 by drive"}
plots.table(
    [
        (
            name,
            *(
                f"{shipped[name]['without'][step]['disabled']:.2f} · {gap_left(name, step):.2f}"
                for step in PROTOCOL
            ),
        )
        for name in shipped
    ]
    + [("paper (disabled)", "", *(PAPERS[step][1] for step in list(PROTOCOL)[1:]))],
    columns=["ablated", *PROTOCOL.values()],
)

# %% [markdown]
# Now the *roles*, since heads of a layer are exchangeable. A head attends here if it looks at the target from result or bracket, or from the bracket at the word after it. (This rule was made for `seed_2`, after the fact; with it `seed_2` loses **0.93** of its checks.) The columns for donors give the misses accepted from a matched hit, another hit, a matched miss and another miss.


# %%
def read_before_2(name: str) -> tuple[float, float]:
    """The AUC at the bracket before block 2, in the whole model and without MLP 1."""
    found = shipped[name]["readable"]
    return found["bracket"][2], found["bracket, MLP 1 out, before block 2"]


plots.table(
    [
        (
            name,
            *(f"{value:.2f}" for value in read_before_2(name)),
            *(f"{gap_left(name, step):.2f}" for step in without_mlp),
        )
        for name in SEEDS
    ],
    columns=[
        "",
        "AUC before block 2",
        "... MLP 1 ablated",
        "gap left, MLP 1 ablated",
        "gap left, MLPs 1 to 5 ablated",
    ],
)


# %%
def silent(name: str) -> float:
    """The valid neurons' response to hits that is left without the attending heads."""
    was = shipped[name]["activity"]
    return (was["hits, out"] - was["misses, out"]) / (was["hits, whole"] - was["misses, whole"])


def four(name: str, group: str) -> str:
    return " · ".join(f"{share:.2f}" for share in shipped[name]["donors"][group].values())


plots.table(
    [
        (
            name,
            str(len(shipped[name]["next word too"]["attending"])),
            f"{shipped[name]['without']['attending, next word too']['sums']:.2f}",
            f"{silent(name):.2f}",
            four(name, "target"),
            four(name, "result"),
        )
        for name in [*SEEDS, *pair]
    ],
    columns=[
        "",
        "attending heads (next word too)",
        "sums right without them",
        "neurons' response left without them",
        "attending heads: donors",
        "previous-token heads: donors",
    ],
)

# %% [markdown]
# MLP 1 makes the verdict readable before block 2 in every seed. What the model *says* hangs on it to very different degrees: `seed_1` and `seed_3` lose nearly all of their gap.
#
# The other roles are the same in all six: without the attending heads the valid neurons hardly tell a hit from a miss, and both groups of heads carry a value, by the fourth donor. What differs is which heads, how many, whether the target is fetched in one step or two, and which MLPs compare. In `seed_5` the widest rule takes in a head that sums need: **0.81** stay right. And in `base` and `rewarded`, the previous-token heads of layer 0 carry nothing: there the result comes in another way. In `three_layers` the neurons at the bracket respond less to hits than to misses, with and without the heads.

# %% tags=["numbers"]
claim("seed_5, sums", over("attending, next word too", "sums")[5], text=0.81, within=0.05)
for name in SEEDS:
    study = shipped[name]
    assert study["readable"]["bracket"][2] > 0.95 > 0.75 > study["readable"]["bracket"][1]
    for group in ("target", "result"):
        carried = study["donors"][group]
        assert min(carried["matched hit"], carried["matched miss"]) > 0.8, name
        assert max(carried["other hit"], carried["other miss"]) < 0.1, name
    for group in ("other heads of layer 0", "other heads of layer 1"):
        assert max(study["donors"].get(group, {"none": 0}).values()) < 0.1, name
    assert abs(silent(name)) < 0.2, name
    whole_model, without_1 = read_before_2(name)
    assert whole_model > 0.95 and without_1 < 0.7, name
    assert abs(gap_left(name, "MLPs from 1 on")) < 0.1, name
assert max(gap_left(name, "MLP 1") for name in ("seed_1", "seed_3")) < 0.2
was = shipped["three_layers"]["activity"]
assert was["hits, whole"] < was["misses, whole"] and was["hits, out"] < was["misses, out"]
claim("seed_2, next word too", wide[2], text=0.93, within=0.05)
assert max(max(shipped[name]["donors"]["result"].values()) for name in pair) < 0.1

# %% [markdown]
# ## What this does not show
#
# - That Qwen checks like this. There a number has several tokens, and what the authors read at "the token before the bracket" is a digit; in our models a number is one token, and in all but `three_layers` the check is made one token later.
# - How the two numbers are compared. The MLPs that are needed differ by seed; what each of them computes is not shown.
# - That attention finds causal heads in general. Here few heads look at the target, and one of the two that look most is hardly needed.
#
# ## Questions to discuss
#
# 1. The published rule read attention one token too early for six of our models. How would you have written the rule so that it could not miss this? What would your rule cost?
# 2. The signed drive reads a head's OV diagonal against neurons blocks later. What must be true for such a ranking to find a head that acts through a comparison in between?
# 3. Four donors told a value from a match. For which other claim in this course would you like to have the fourth donor?
# 4. Zeroing puts the stream where it has never been. Which result of this lesson hangs on zeros, and which does not?
#
# ## Common mistakes
#
# - Labelling positions by what the model *says*: then you find what makes it speak.
# - Calling a check disabled because one word changed, or intact because none did. Show the gap.
# - Forgetting the sums: a model that cannot add has not lost its check alone.
# - Calling heads "verification heads" because their removal stops verification.
# - Comparing head numbers across seeds.
#
# ## Where this breaks
#
# Nine models of two sizes, one game, traces made by a program, verdicts of one word (in `three_layers` of four). The measures were fixed beforehand, but the place of attention was widened after `seed_0`; four of the other five confirm it. With about 100 hits a seed, a true share of `0.03` can look like none.
#
# ## Further reading
#
# - Lee, Sun, Wendler, Viégas and Wattenberg (2025), *The Geometry of Self-Verification in a Task-Specific Reasoning Model*, arXiv 2504.14379, and its code, github.com/ajyl/verify_circuit
# - Prakash et al. (2025), *Language Models Use Lookbacks to Track Beliefs*, arXiv 2505.14685: values fetched by heads and compared later
# - Shao et al. (2024), *DeepSeekMath*, arXiv 2402.03300: GRPO
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [4.5 · Model diffing: what did fine-tuning add?](45_model_diffing.ipynb) | **Next:** [5.2 · Keep thinking or stop](52_keep_thinking.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/45_model_diffing.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/52_keep_thinking.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("51")
