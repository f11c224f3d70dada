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
# # 5.2 · Keep thinking or stop
#
# [![Open lesson 5.2 in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/52_keep_thinking.ipynb)
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.1 · How a reasoning model checks itself](51_self_verification.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. find out whether a model's second look at its answer is a check or a rubber stamp;
# 2. find what makes it go on or stop, steer that **while it writes**, and say what the push buys and what it costs;
# 3. measure how much a single step of a trace matters, **exactly** where that is possible, and test the attention-based guesses at it.
#
# **Time** two hours. **Needs** lesson 5.1: the game and its model; 3.1: steering and its cost; 2.1: probes.
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
import random
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from data.countdown import task as countdown
from utils import plots, stats, steering
from utils.activations import next_logits
from utils.cases import thinking, verification
from utils.cases.survey import survey
from utils.checks import lesson_52
from utils.lesson import claim
from utils.heads import top_heads
from utils.models import load

REAL = None  # on a GPU: "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", for section 6
model = load("countdown/recheck_0")
cfg = model.cfg

# %% [markdown]
# ## 1. A model that takes a second look
#
# Lesson 5.1's models stop at their first success. This one is their sibling: the same three layers, the same game, and like them **trained on made-up traces, not by reinforcement learning**. In half of its training traces, drawn by a coin, a success is checked once more: `( this works ) , check 12 + 7 = 19 - 4 ...`, the same try again, and `( yes works )`. Then the trace ends.
#
# So the `)` behind a first success is a fork. The next word is `,`, and the model goes on, or `<eos>`, the end token, and it stops. Behind a failure it always goes on; behind a re-check it always stops. Large reasoning models have forks like this too ("Wait, let me check"), but there you cannot know what *should* decide. Here you can: a coin, which the text says nothing about.
#
# First the gate. Sample one text for each of 100 puzzles whose sets of numbers the model has never seen, at temperature 1 (from its own probabilities, as they are).

# %%
N_TOKENS = 130
puzzles = verification.some_puzzles(100, generator=random.Random(15))
written = verification.write(
    model, [each.header for each in puzzles], n_tokens=N_TOKENS, temperature=1.0
)
for again in (False, True):  # the first text without a second look, and the first with one
    i = next(i for i, words in enumerate(written) if ("check" in words) == again)
    print(" ".join([*puzzles[i].header, "|", *written[i]]))


def with_ends(values, groups=None) -> torch.Tensor:
    """A mean with the ends of its 95% interval, [3]; whole groups are drawn if given."""
    values = torch.as_tensor(values).float()
    return torch.tensor([values.mean(), *stats.bootstrap(values, groups=groups)])


def spelled(ends: torch.Tensor, form: str = "{:.2f} ({:.2f} to {:.2f})") -> str:
    """A mean and its interval as text."""
    return form.format(*ends)


judged = [countdown.read(*pair) for pair in zip(puzzles, written, strict=True)]
is_solved = [countdown.solved(each) for each in judged]
right = [one.accepted == one.hit for each in judged for one in each]
looked_again = [each[-1].again for each, ok in zip(judged, is_solved, strict=True) if ok]
gate = {"solved": with_ends(is_solved), "verdicts right": with_ends(right)}
gate["looked again after a success"] = with_ends(looked_again)
for name, ends in gate.items():
    print(f"{name}: {spelled(ends)}")

# %% [markdown]
# It solves **80%** of the puzzles. Of its verdicts **100%** are right, and after a success it looks again **44%** of the time (95% interval **32%** to **54%**): what a fair coin could give.

# %% tags=["numbers"]
claim("solved, %", 100 * gate["solved"][0], text=80, within=8)
claim("verdicts right, %", 100 * gate["verdicts right"][0], text=100, within=1)
again = 100 * gate["looked again after a success"]
claim("looks again, %", again[0], text=44, within=11)
claim("looks again, low, %", again[1], text=32, within=11)
claim("looks again, high, %", again[2], text=54, within=11)

# %% [markdown]
# ### Exercise 1 · the share that goes on (5 minutes, easy)
#
# Samples are noisy, and the model has probabilities. At a `)`, compare the two words that matter: the probability of `,` over that of `,` and `<eos>` together.


# %% tags=["exercise:utils.cases.thinking.continue_share"]
def continue_share(
    logits: Float[Tensor, "*position d_vocab"], comma: int, stop: int
) -> Float[Tensor, "*position"]:
    """The probability of `,` over that of `,` and `<eos>` together.

    Args:
        logits: for any axes in front.
        comma: the number of the token `,`; stop: that of `<eos>`.
    """
    ### BEGIN SOLUTION
    return (logits[..., comma] - logits[..., stop]).sigmoid()
    ### END SOLUTION


# %% tags=["check"]
continue_share = lesson_52.check_continue_share(continue_share)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Logits are logs of weights. With two words only, the share of the first is $e^a / (e^a + e^b)$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Divide above and below by $e^a$: it is the sigmoid of $a - b$. `logits[..., comma]` keeps all axes in front.
#
# </details>

# %% [markdown]
# `thinking.endings` finds every complete verdict: behind a failure, behind the first success, behind a re-check. For each it keeps the text up to there (of a text with many failures, the cell uses only the last), and `going_on` reads the model's probabilities.
#
# *Predict first:* about half of the first successes are followed by a second look. Is that a probability near a half each time, or does the model decide by something in the text, and go on surely for one puzzle and never for another?

# %%
KINDS = ("failure", "first success", "re-check")
FAILURE, SUCCESS, RECHECK = range(3)
everything = thinking.endings(model, puzzles, written)
last = {pair: i for i, pair in enumerate(zip(*(p.tolist() for p in everything[2:]), strict=True))}
positions = everything.where(torch.tensor(sorted(last.values())))
kind, puzzle = positions.kind.cpu(), positions.puzzle.cpu()
fork = thinking.going_on(model, positions, puzzles)

for k, name in enumerate(KINDS):
    share = fork.goes_on[kind == k]
    print(f"{name}: {len(share)} positions, goes on {share.mean():.4f}, sd {share.std():.4f}")

undecided = fork.goes_on[kind == SUCCESS]
print(f"lowest and highest share: {undecided.min():.3f} {undecided.max():.3f}")

# %% [markdown]
# At each first success the share is **0.50**, with a standard deviation of **0.003** over puzzles. So the model *has* the coin: at every fork it is as undecided, and the sampling decides. An analysis that asks "what in the text made it check this one?" would look for something that is not there.
#
# Behind failures the share is above `0.999`, behind re-checks below `0.001`.

# %% tags=["numbers"]
claim("share at the fork", undecided.mean(), text=0.50, within=0.01)
claim("its sd", undecided.std(), text=0.003, within=0.002)
assert fork.goes_on[kind == FAILURE].min() > 0.999 and fork.goes_on[kind == RECHECK].max() < 0.001
assert undecided.min() > 0.47 and undecided.max() < 0.53

# %% [markdown]
# ## 2. A check, or a rubber stamp?
#
# In training every re-check came after a true success, and said yes. Two mechanisms fit that equally well: compare the result with the target once more, as in lesson 5.1; or say yes because the word `check` stands there. On the model's own texts the two cannot be told apart: all its claims are true. So put a **false** claim before the re-check.
#
# ### Exercise 2 · a claim, and a second look (10 minutes, easy)
#
# Write the text in which a try is claimed a success, and checked again, up to the second `(`. Then the next word is the verdict of the re-check.


# %% tags=["exercise:utils.cases.thinking.checked_again"]
def checked_again(
    header: Sequence[str], tried: Sequence[str], *, said: Sequence[str] = ("this", "works")
) -> list[str]:
    """The words of header, try, what is said of it in brackets, and the re-check up to its `(`.

    Args:
        header: words such as `make 15 from 12 7 4 :`.
        tried: words such as `12 + 7 = 19 - 4 = 15`.
        said: the words between the first brackets.
    """
    ### BEGIN SOLUTION
    return [*header, *tried, "(", *said, ")", ",", "check", *tried, "("]
    ### END SOLUTION


# %% tags=["check"]
checked_again = lesson_52.check_checked_again(checked_again)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Look at a printed trace of section 1 that has `check` in it, and copy its order: try, bracket, comma, `check`, the try again, bracket.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `[*a, "(", *b]` puts the words of two lists and a word of your own into one list.
#
# </details>

# %% [markdown]
# The design is two by two by two. The try hits or misses; it was called a success (`this works`) or a failure (`not 23`); and the word `check` stands before the second look or not. Each cell has one try of each of 100 new puzzles. Two controls: `check` with no bracket before it at all; and a miss that is checked behind a *true* claim about another try. What is measured is the share of texts in which a yes is likelier than a no at the last bracket.
#
# *Predict first:* a miss, called a success, with `check`: what does the model say?

# %%
generator = random.Random(0)
cells: dict[tuple, list] = {}
for each in verification.some_puzzles(100, generator=random.Random(17)):
    found = countdown.tries(each.numbers)
    miss = generator.choice([value for value in found if value != each.target])
    tries = {
        "hit": generator.choice(found[each.target]).words,
        "miss": generator.choice(found[miss]).words,
    }
    for name, tried in tries.items():
        for said in (("this", "works"), ("not", tried[-1])):
            text = checked_again(each.header, tried, said=said)
            at = text.index("check")
            cells.setdefault((name, f"said '{said[0]}', check"), []).append(text)
            cells.setdefault((name, f"said '{said[0]}'"), []).append(text[:at] + text[at + 1 :])
        bare = [*each.header, "check", *tried, "("]
        cells.setdefault((name, "no bracket before, check"), []).append(bare)
    text = checked_again(each.header, tries["hit"])
    text = [*text[: text.index("check") + 1], *tries["miss"], "("]
    cells.setdefault(("miss", "said 'this' of a hit, check"), []).append(text)


def logits_after(texts: list) -> torch.Tensor:
    """The logits after each text, a list of words, [text, d_vocab]."""
    return next_logits(model, [" ".join(words) for words in texts])


says_yes = {
    key: (verification.yes_share(logits_after(texts)) > 0.5).float() for key, texts in cells.items()
}
stamp = {key: with_ends(values) for key, values in says_yes.items()}
plots.intervals(
    {
        f"a {name}": {how: ends for (of, how), ends in stamp.items() if of == name}
        for name in ("hit", "miss")
    },
    title="The word check makes the model say yes to misses (share of texts with a yes)",
    alike=("a hit", "a miss"),
)

# %% [markdown]
# True successes are confirmed **100%** of the time. But of the false ones, the re-check waves **61%** through (**52%** to **71%**), where the same model, at the first bracket of such a miss, says no every time.
#
# What does it? The word `check`. Without it, the same miss behind the same false claim gets a yes **0%** of the time. With `check` and no bracket before it, **39%**; behind a bracket that says *not*, **31%**. So `check` is the necessary part, and a claim adds to it. The claim need not even be about this try: behind a *true* claim about another, a missed try is waved through **96%** of the time.
#
# So this is neither an honest check nor a pure stamp: the try still counts for something, since hits do better than misses in every row with `check` that has both, and behind a claim of success the stamp wins more often than not.
#
# What happens where the re-check does say no? Let it, and read the fork behind it.

# %%
THIS = "said 'this', check"
false_claims = cells["miss", THIS]
denied = [text for text, yes in zip(false_claims, says_yes["miss", THIS], strict=True) if not yes]
behind_no = [[*text, "not", text[-2], ")"] for text in denied]
after_no = continue_share(logits_after(behind_no), thinking.COMMA, thinking.STOP)
uncalled = stamp["miss", "said 'this'"][0]
print(f"{len(denied)} say no; goes on behind it: {after_no.mean():.4f}")

# %% [markdown]
# It stops, in spite of its own no: the share that goes on is below `0.001`. In training every re-check said yes, and the end followed it. In this design nothing in the rest of the text hangs on the second verdict. (These texts are ones that the model never writes itself: a false claim is far from its training. What a mechanism does there tells you what it is, not how often it does harm. On the model's own texts the stamp is always right.)

# %% tags=["numbers"]
claim("true claims confirmed, %", 100 * stamp["hit", THIS][0], text=100, within=2)
waved = 100 * stamp["miss", THIS]
claim("false claims waved through, %", waved[0], text=61, within=6)
claim("waved, low, %", waved[1], text=52, within=7)
claim("waved, high, %", waved[2], text=71, within=7)
bare, denied_first, other_claim = (
    100 * stamp["miss", how]
    for how in ("no bracket before, check", "said 'not', check", "said 'this' of a hit, check")
)
claim("without check, %", 100 * uncalled, text=0, within=2)
claim("no bracket before, %", bare[0], text=39, within=7)
claim("said not, with check, %", denied_first[0], text=31, within=7)
claim("true claim of another try, %", other_claim[0], text=96, within=5)
assert after_no.max() < 0.001 and waved[1] > 50 and waved[1] > denied_first[2]
assert waved[0] > bare[0] and all(
    stamp["hit", how][0] > stamp["miss", how][0]
    for how in (THIS, "said 'not', check", "no bracket before, check")
)
first_look = [text[: text.index("(") + 1] for text in false_claims]
assert verification.yes_share(logits_after(first_look)).max() < 0.5

# %% [markdown]
# ## 3. A direction for going on
#
# What makes the model go on? Take the states at `)`, and look for a direction by which you could push an undecided one. Three candidates:
#
# - **failure - re-check**: the mean state where it surely goes on, minus that where it surely stops. But those also differ in something else, a **confound**: one try failed, the other succeeded. A push could say "that failed" instead of "go on".
# - **success - re-check**: both succeeded, so the confound is gone; but one of the two is undecided.
# - **unembedding**: no data at all. What `,` reads from the stream's end minus what `<eos>` reads, through the final norm's weight.
#
# Directions are made on the first 60 puzzles, and tested at 16 forks of the others. Layer L is the stream before block L; `3` is its end, after the last block, which the unembedding reads. The dose is in units of the typical norm: the median length of the stream over all `)` of a layer. The controls are random directions.
#
# *Predict first:* at which layer will the difference of means work at a small dose?

# %%
states = [verification.resid_at(model, part) for part in positions.parts()]
states = positions.in_order(states, dim=1)  # [layer, position, d_model]
norms = states.norm(dim=-1).median(1).values
lengths = torch.stack([states[:, kind == k].norm(dim=-1).median(1).values for k in range(3)], 1)
fit, layers = puzzle < 60, range(1, cfg.n_layers + 1)
for layer in layers:
    of_kinds = ", ".join(f"{name} {lengths[layer, k]:.0f}" for k, name in enumerate(KINDS))
    print(f"layer {layer}: typical norm {norms[layer]:.0f}; {of_kinds}")


def mean_state(layer: int, which: int) -> torch.Tensor:
    """The mean state at one kind of `)`, over the puzzles to fit on, [d_model]."""
    return states[layer][fit & (kind == which)].mean(0)


def directions(layer: int) -> dict[str, torch.Tensor]:
    """The three candidates, each of the length that its method gives."""
    reads = (model.W_U[:, thinking.COMMA] - model.W_U[:, thinking.STOP]).detach()
    return {
        "failure - re-check": mean_state(layer, FAILURE) - mean_state(layer, RECHECK),
        "success - re-check": mean_state(layer, SUCCESS) - mean_state(layer, RECHECK),
        "unembedding": (reads * model.ln_final.weight.detach()).cpu(),
    }


def push(direction: torch.Tensor, dose: float, layer: int) -> torch.Tensor:
    """The vector along a direction that is `dose` typical norms long."""
    return steering.at_dose(direction, 1.0, norm=norms[layer].item()).to(cfg.device) * dose


def pushed(vector: torch.Tensor, layer: int, some: thinking.Endings) -> thinking.GoingOn:
    """What the model does at some positions when a vector is added there."""
    return thinking.going_on(model, some, puzzles, steering=(vector.to(cfg.device), layer))


DOSES, N_RANDOM = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0), 6
NAMES = list(directions(1))
forks = positions.where((~fit & (kind == SUCCESS)).nonzero()[:16, 0])
swept, checks = {}, {layer: [] for layer in layers}
for layer in layers:
    named = directions(layer)
    drawn = steering.random_directions(
        N_RANDOM, named["unembedding"], generator=torch.Generator().manual_seed(layer)
    )
    named |= {f"random {i}": each for i, each in enumerate(drawn)}
    for name, direction in named.items():
        found = [pushed(push(direction, dose, layer), layer, forks) for dose in DOSES]
        swept[layer, name] = torch.stack([each.goes_on.mean() for each in found])
        if name in NAMES:
            checks[layer] += [each.check.min().item() for each in found]

panels = {}
for layer in layers:
    lines = {name: swept[layer, name] for name in NAMES}
    drawn = torch.stack([swept[layer, f"random {i}"] for i in range(N_RANDOM)])
    lines["random (all of six)"] = torch.stack([drawn.mean(0), drawn.amin(0), drawn.amax(0)])
    panels["goes on", f"layer {layer}" + (" (the end)" if layer == 3 else "")] = lines
plots.curves(
    panels,
    at=DOSES,
    title="A small push moves the coin most at the end of the stream; random ones hardly do",
    x="dose",
    grey="random (all of six)",
).update_layout(height=400, legend={"y": -0.35})

# %%
gain = {key: (values[3] - values[2]).item() for key, values in swept.items()}
luck = {at: max(abs(gain[at, f"random {i}"]) for i in range(N_RANDOM)) for at in layers}
at_end = directions(3)
cosine = torch.cosine_similarity(at_end["failure - re-check"], at_end["unembedding"], dim=0)
lowest_check = min(checks[1] + checks[2])
print({at: round(gain[at, "failure - re-check"], 2) for at in layers}, "from dose -0.25 to 0.25")
print(f"cosine at layer 3 {cosine:.2f}; random {luck[3]:.2f}; lowest check {lowest_check:.2f}")

# %% [markdown]
# At layer 3, failure - re-check moves the share by **0.27** between doses of `-0.25` and `0.25`. At layers 1 and 2 the same recipe moves it by **0.03** and **0.05**. At layer 3 its cosine with the unembedding's own direction is **0.93**, and the two curves lie on each other. The difference of means has found the *readout*: the line along which logits are read. That is a direction for going on, and it says little about what the model computes. Of six random directions the best moves the share by **0.04** there.
#
# One curve is odd: at layer 1, success - re-check makes the model stop at `-1`, and hardly makes it go on. Keep that in mind.
#
# Now the confound. If the push said "that failed", the model should go on with a **new try**, `, 12 + ...`. At layer 3 that cannot be seen: no later token reads that stream, so what comes behind the comma is as without a push. Layers 1 and 2 are a test, and there the probability of `check` behind the `,` is, at its lowest over the three directions and all doses, **1.00** when rounded. So the push does not say "that failed". It fits that what comes behind the comma is decided at the comma, where the model looks back at a text that still says `this works`.

# %% tags=["numbers"]
claim("move at layer 3", gain[3, "failure - re-check"], text=0.27, within=0.04)
claim("move at layer 1", gain[1, "failure - re-check"], text=0.03, within=0.03)
claim("move at layer 2", gain[2, "failure - re-check"], text=0.05, within=0.03)
claim("cosine at layer 3", cosine, text=0.93, within=0.02)
claim("best of six random, layer 3", luck[3], text=0.04, within=0.04)
claim("check behind the comma, lowest", lowest_check, text=1.00, within=0.01)
odd = swept[1, "success - re-check"]
assert odd[0] < 0.1 and odd[-1] < 0.6
assert max(layers, key=lambda layer: gain[layer, "failure - re-check"]) == 3

# %% [markdown]
# ### Before the end: from one state to another
#
# Does layer 2 hold nothing to push, then? Push not along a line in small doses, but **from one state to another**, by the whole difference of two means.

# %%
moves = {}
for to, name in ((FAILURE, "to failure"), (RECHECK, "to re-check")):
    vector = mean_state(2, to) - mean_state(2, SUCCESS)
    drawn = steering.random_directions(N_RANDOM, vector, generator=torch.Generator().manual_seed(5))
    share, *chance = (pushed(each, 2, forks).goes_on.mean().item() for each in (vector, *drawn))
    moves[name] = (share, min(chance), max(chance), (vector.norm() / norms[2]).item())
    print("{}: goes on {:.3f}; random {:.2f} to {:.2f}; dose {:.2f}".format(name, *moves[name]))

# %% [markdown]
# A whole move does decide: to failure **1.00**, to re-check **0.00**. Random vectors of the same length reach neither. So the stream before block 2 at the fork is enough to decide. Part of this is length: the moves are **1.3** and **1.5** typical norms long, beyond the sweep above.

# %% tags=["numbers"]
claim("moved to failure", moves["to failure"][0], text=1.00, within=0.03)
claim("moved to re-check", moves["to re-check"][0], text=0.00, within=0.03)
claim("length, to failure", moves["to failure"][3], text=1.3, within=0.1)
claim("length, to re-check", moves["to re-check"][3], text=1.5, within=0.1)
assert moves["to failure"][2] < 0.9 and moves["to re-check"][1] > 0.1

# %% [markdown]
# ## 4. Steering while it writes
#
# Now push at **every** `)` that the model writes. Lesson 3.1's hook counts positions. This one must know *which token runs now*: the `)` stands somewhere else in every row.
#
# ### Exercise 3 · a push at one kind of token (10 minutes, easy)


# %% tags=["exercise:utils.cases.thinking.add_at_token"]
def add_at_token(
    resid: Float[Tensor, "batch here d_model"],
    tokens: Int[Tensor, "batch here"],
    vector: Float[Tensor, " d_model"],
    *,
    token: int,
) -> Float[Tensor, "batch here d_model"]:
    """A copy of `resid` with `vector` added wherever the token that runs is `token`.

    Args:
        resid: the residual stream at the positions that run now.
        tokens: the tokens at these positions.
        token: the number of a token, such as that of `)`.
    """
    ### BEGIN SOLUTION
    return resid + (tokens == token)[..., None] * vector
    ### END SOLUTION


# %% tags=["check"]
add_at_token = lesson_52.check_add_at_token(add_at_token)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `tokens == token` is True or False for each row and position. You need one more axis at its end, so that it fits `resid`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# True counts as 1 and False as 0: multiply the mask by the vector, and add the product to `resid` with `+`, which makes a new tensor.
#
# </details>

# %% [markdown]
# A hook gets activations, not tokens. `thinking.steer_at` therefore listens to the model's *input* as well: with the key-value cache the input is one token a step, and it is the token that the activations belong to. Over a whole text it does what your function does in a hook.

# %%
from utils.cases.thinking import steer_at

onward = directions(3)["failure - re-check"]
(unmoved,) = verification.write(model, [puzzles[3].header], n_tokens=40)
with steer_at(model, push(onward, 1.0, 3), layer=3):
    (moved,) = verification.write(model, [puzzles[3].header], n_tokens=40)
print("unsteered:", " ".join(unmoved))
print("steered:  ", " ".join(moved))

tokens, vector = model.to_tokens(" ".join([*puzzles[3].header, *unmoved])), push(onward, 1.0, 3)
hook = (
    "blocks.2.hook_resid_post",
    lambda resid, hook: add_at_token(resid, tokens, vector, token=thinking.CLOSE),
)
with torch.no_grad():
    with model.hooks(fwd_hooks=[hook]):
        yours = model(tokens)
    with steer_at(model, vector, layer=3):
        assert torch.allclose(yours, model(tokens), atol=1e-3) and unmoved != moved

# %% [markdown]
# Which push should you take? You want one that moves the fork and leaves the rest alone: **no second look, and no giving up**. But a push at every `)` meets failures and re-checks too. So choose by a rule, on the puzzles that the directions were made from:
#
# > Of all candidates, layers and doses of `-1`, `-0.75`, `-0.5` and `-0.25`: keep those after which a failure is still followed by `,` with a probability of at least `0.95`. Of these take the one with the lowest probability of `,` at the fork.
#
# *Predict first:* which layer wins? At layer 3 small doses did most.

# %%
STOPPING = (-1.0, -0.75, -0.5, -0.25)
trial = positions.where(
    torch.cat([(fit & (kind == k)).nonzero()[:12, 0] for k in (FAILURE, SUCCESS)])
)


def says_comma(vector: torch.Tensor, layer: int, some: thinking.Endings) -> list[float]:
    """The mean probability of `,` among all words, for each kind of position; nan without one."""
    found, of = pushed(vector, layer, some), some.kind.cpu()
    p = found.goes_on * (1 - found.other)
    return [p[of == k].mean().item() for k in range(3)]


tried_out = {
    (layer, name, dose): says_comma(push(direction, dose, layer), layer, trial)
    for layer in layers
    for name, direction in directions(layer).items()
    for dose in STOPPING
}
allowed = {each: p[SUCCESS] for each, p in tried_out.items() if p[FAILURE] >= 0.95}
for each in sorted(allowed, key=allowed.get)[:4]:
    print(f"{each}: failure {tried_out[each][FAILURE]:.3f}, fork {allowed[each]:.3f}")
layer, name, dose = min(allowed, key=allowed.get)
brake = directions(layer)[name]
print(f"chosen: {name} at layer {layer}, dose {dose}")
assert (layer, name, dose) == (1, "success - re-check", -0.5)

# %% [markdown]
# The rule takes success - re-check **before block 1**, at `-0.5`: the odd curve. Read it, and the readout push of layer 3, at all three kinds of `)` of the *other* puzzles.

# %%
WIDE = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
of_test = positions.where(torch.cat([(~fit & (kind == k)).nonzero()[:12, 0] for k in range(3)]))
PUSHES = {"failure - re-check, layer 3": (onward, 3), "success - re-check, layer 1": (brake, 1)}
by_kind = {
    name: torch.tensor([says_comma(push(v, dose, layer), layer, of_test) for dose in WIDE])
    for name, (v, layer) in PUSHES.items()
}
plots.curves(
    {
        ("goes on with ','", name): {KINDS[k]: values[:, k] for k in range(3)}
        for name, values in by_kind.items()
    },
    at=WIDE,
    title="At layer 3 failures break before the fork is closed; before block 1 the fork closes first",
    x="dose",
).update_layout(height=400, legend={"y": -0.35})

# %% [markdown]
# At layer 3 you would expect the undecided position to give way first. It does so only at first: at `-0.25` the fork has moved and failures hold. At `-0.5` the probability of `,` at the fork is still **0.25**, and failures, which were sure, are down to **0.38**. To the other side re-checks and fork break together: at `1` the fork is at **0.91** and re-checks are at **1.00**.
#
# Before block 1, the chosen `-0.5` brings the fork to **0.13**, and failures stay at **0.99**.
#
# Why? A norm divides by the length of the stream. At layer 3 the stream behind a first success is **9.5** times as long as behind a failure, so a push of one length is small at the fork and large everywhere else. (The typical norm there is that of the re-checks.) At layer 1 the three lengths are much alike, and the direction alone decides.
#
# *Predict first:* will a model that is pushed to stop solve fewer puzzles? Can one that is pushed to go on solve more?

# %% tags=["numbers"]
at = {dose: i for i, dose in enumerate(WIDE)}
readout, early = by_kind.values()
claim("fork at -0.5", readout[at[-0.5], SUCCESS], text=0.25, within=0.04)
claim("failure at -0.5", readout[at[-0.5], FAILURE], text=0.38, within=0.15)
claim("fork at 1", readout[at[1.0], SUCCESS], text=0.91, within=0.04)
claim("re-check at 1", readout[at[1.0], RECHECK], text=1.00, within=0.04)
claim("chosen push, fork", early[at[-0.5], SUCCESS], text=0.13, within=0.06)
claim("chosen push, failure", early[at[-0.5], FAILURE], text=0.99, within=0.02)
claim("success over failure", lengths[3, SUCCESS] / lengths[3, FAILURE], text=9.5, within=1)
assert lengths[1].max() < 2 * lengths[1].min() and norms[3] < lengths[3, SUCCESS] / 4

# %% [markdown]
# Now let it write, on 40 new puzzles without filler words, so that they fit in few batches. All pushes share their random numbers. A text is *cut* when it has not ended after `130` words. To find texts that go round in circles, look at cut texts, at the share of 8-grams (eight words in a row) that had come before in the text (a copied try alone gives some), and at zlib, compressed size over size: **low** is repetitive. The controls are random vectors of the same length.

# %%
others = verification.some_puzzles(40, generator=random.Random(21), variable=False)


def write_all(vector: torch.Tensor, layer: int) -> list[thinking.Text]:
    """Measures of the text for each puzzle; `vector` is added at each `)`."""
    heads, how = [each.header for each in others], {"n_tokens": N_TOKENS, "temperature": 1.0}
    generator = torch.Generator().manual_seed(1)
    with steer_at(model, vector.to(cfg.device), layer=layer):
        texts = verification.write(model, heads, generator=generator, **how)
    pairs = zip(others, texts, strict=True)
    return [thinking.measure(*pair, n_tokens=N_TOKENS) for pair in pairs]


SHOWN = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)
LABELS = ("solved", "gave up", "re-checks", "cut", "repeated")
MEASURES = dict(zip(("solved", "gave_up", "checks", "cut", "repeated"), LABELS, strict=True))
SIGNS = ((-1.0, 1.0), (-0.5,))  # doses of the random controls
by_dose, randoms = {}, {}
for (name, (direction, layer)), signs in zip(PUSHES.items(), SIGNS, strict=True):
    runs = [write_all(push(direction, dose, layer), layer) for dose in SHOWN]
    drawn = steering.random_directions(3, direction, generator=torch.Generator().manual_seed(7))
    control = [write_all(push(each, d, layer), layer) for each in drawn for d in signs]
    for field in [*MEASURES, "tries", "zlib", "words"]:
        by_dose[name, field] = torch.stack(
            [with_ends([getattr(text, field) for text in run]) for run in runs], 1
        )
        means = [sum(getattr(text, field) for text in run) / len(run) for run in control]
        randoms[name, field] = torch.tensor(means)
panels = {}
for field, label in MEASURES.items():
    for name, signs in zip(PUSHES, SIGNS, strict=True):
        dots = torch.tensor([torch.nan] * len(SHOWN))
        dots[[SHOWN.index(sign) for sign in signs]] = randoms[name, field].view(3, -1).mean(0)
        panels[label, name] = {"push": by_dose[name, field], "random, mean of three": dots}
plots.curves(
    panels,
    at=SHOWN,
    title="Layer 3: stopping gives up, going on loops. Layer 1 at -0.5: few second looks, no harm",
    x="dose",
    grey="random, mean of three",
).update_layout(height=820, legend={"y": -0.1})


# %%
def shown(name: str, field: str, dose: float) -> torch.Tensor:
    """A measure at a dose: its mean and the interval's ends."""
    return by_dose[name, field][:, SHOWN.index(dose)]


LATE, EARLY = PUSHES
free = shown(LATE, "checks", 0.0)
stopped, looped = shown(EARLY, "checks", -0.5), shown(LATE, "checks", 1.0)
for (name, field), values in by_dose.items():
    row, other = "  ".join(f"{value:.2f}" for value in values[0]), randoms[name, field]
    print(f"{name}, {field}: {row}; random {other.min():.2f} to {other.max():.2f}")

# %% [markdown]
# **Stop, at layer 3.** At `-0.5` the model gives up on **75%** of the puzzles, mostly behind its first failure. At `-0.25` there are **0.45** re-checks a text (**0.30** to **0.60**), against **0.57** (**0.42** to **0.70**) without a push: no clear change. No dose of these stops the second look alone.
#
# **Stop, before block 1.** At the chosen `-0.5` there are **0.12** re-checks a text (**0.03** to **0.23**), and **95%** are solved, as without a push (**95%**); none is given up. (Section 1's share is lower. More of these puzzles have three numbers, and 40 are few.) Random vectors of that length leave at least **0.57** re-checks. So most second looks can be switched off, at no cost in answers that these texts show. That fits section 2: nothing hangs on the second verdict. At `-1` the same push makes the model give up too: the dose must be chosen.
#
# **Go on, at layer 3.** At `1` there are **3.40** re-checks a text, **82%** of the texts are cut while still at it, and the tries hardly grow, **3.4** to **3.6**: checks of checks. Repetition shows the loop (**0.08** to **0.12**), and zlib more (**0.64** to **0.42**). The share solved is **88%**.
#
# Could it have risen? Not by much. *Solved* is decided at the first accepted try, and an unpushed model goes on behind a failure with more than `0.999` already: there is no early stop to cure. The drop, three puzzles of 40, may be chance. If it is real, damage is likelier: at that dose **8%** of the probability behind a failure goes to words other than `,` and `<eos>`. Random pushes at doses of `-1` and `1` do harm as well: with these six, the model solves between **52%** and **85%**.
#
# So ask two things of a report that a steered model thinks longer: which words were added, and could the score have risen?

# %% tags=["numbers"]
slight = shown(LATE, "checks", -0.25)
broken = pushed(push(onward, 1.0, 3), 3, of_test).other[of_test.kind.cpu() == FAILURE].mean()
claim("gave up at -0.5, %", 100 * shown(LATE, "gave_up", -0.5)[0], text=75, within=14)
claim("re-checks at -0.25", slight[0], text=0.45, within=0.15)
claim("re-checks at -0.25, low", slight[1], text=0.30, within=0.15)
claim("re-checks at -0.25, high", slight[2], text=0.60, within=0.15)
claim("re-checks at 0", free[0], text=0.57, within=0.15)
claim("re-checks at 0, low", free[1], text=0.42, within=0.15)
claim("re-checks at 0, high", free[2], text=0.70, within=0.15)
claim("chosen push, re-checks", stopped[0], text=0.12, within=0.1)
claim("chosen push, re-checks, low", stopped[1], text=0.03, within=0.08)
claim("chosen push, re-checks, high", stopped[2], text=0.23, within=0.12)
claim("chosen push, solved, %", 100 * shown(EARLY, "solved", -0.5)[0], text=95, within=7)
claim("unsteered, solved, %", 100 * shown(EARLY, "solved", 0.0)[0], text=95, within=7)
claim("random, fewest re-checks", randoms[EARLY, "checks"].min(), text=0.57, within=0.15)
claim("re-checks at 1", looped[0], text=3.40, within=0.7)
claim("cut at 1, %", 100 * shown(LATE, "cut", 1.0)[0], text=82, within=12)
claim("tries at 0", shown(LATE, "tries", 0.0)[0], text=3.4, within=0.5)
claim("tries at 1", shown(LATE, "tries", 1.0)[0], text=3.6, within=0.5)
claim("repetition at 0", shown(LATE, "repeated", 0.0)[0], text=0.08, within=0.04)
claim("repetition at 1", shown(LATE, "repeated", 1.0)[0], text=0.12, within=0.05)
claim("zlib at 0", shown(LATE, "zlib", 0.0)[0], text=0.64, within=0.05)
claim("zlib at 1", shown(LATE, "zlib", 1.0)[0], text=0.42, within=0.06)
claim("solved at 1, %", 100 * shown(LATE, "solved", 1.0)[0], text=88, within=9)
claim("other words behind a failure, %", 100 * broken, text=8, within=5)
claim("random, fewest solved, %", 100 * randoms[LATE, "solved"].min(), text=52, within=15)
claim("random, most solved, %", 100 * randoms[LATE, "solved"].max(), text=85, within=10)
assert stopped[2] < randoms[EARLY, "checks"].min() and shown(EARLY, "gave_up", -0.5)[0] < 0.06
assert shown(LATE, "words", 1.0)[0] > shown(LATE, "words", 0.0)[0]
assert (
    sum(len(p.numbers) == 3 for p in others) / 40 > sum(len(p.numbers) == 3 for p in puzzles) / 100
)
assert randoms[LATE, "checks"].max() < looped[0] and shown(EARLY, "solved", -1.0)[0] < 0.5

# %% [markdown]
# ## 5. Which step matters?
#
# Steering moves a whole text. Now ask of one written trace: how much did *this* step matter? Thought Anchors (see the end) answers by **resampling**: cut the text before the step, let the model write on many times (each of these texts is a **rollout**), and keep those rollouts whose step *differs* from the one that was there. **Counterfactual importance** is what the outcome is with the step, minus what it is without it. In large models "differs" is judged by embeddings of sentences. Here it is exact: another result.
#
# A **step** is a try with its verdict. The outcome is *solved by the next try*: kept, the step has hit, or the next try does; drawn anew, the new step hits, or the next try behind it.
#
# An example with round numbers. Behind the failure that was written, the next try hits in `30%` of the rollouts: that is *kept*. Drawn anew, and not the same again, a step hits at once in `30%`, and where it fails, the next try hits in `30%`: `30% + 70% * 30% = 51%`. The importance is `-21` points. Kept has one try, redrawn has two: that alone makes a failure look bad. (A kept success looks good for another reason: it counts as 1.)
#
# ### Exercise 4 · the importance of a step (10 minutes, easy)


# %% tags=["exercise:utils.cases.thinking.importance"]
def importance(
    kept: Bool[Tensor, " rollout"],
    resampled: Bool[Tensor, " other"],
    differs: Bool[Tensor, " other"],
) -> Float[Tensor, ""]:
    """Counterfactual importance: what keeping a step adds to the chance of solving, from rollouts.

    Args:
        kept: whether each rollout after the step solved the puzzle.
        resampled: the same for rollouts that drew the step anew.
        differs: whether the step that was drawn is another one.

    Source: Thought Anchors (Bogdan et al., 2025, arXiv 2506.19143).
    """
    ### BEGIN SOLUTION
    return kept.float().mean() - resampled[differs].float().mean()
    ### END SOLUTION


# %% tags=["check"]
importance = lesson_52.check_importance(importance)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two chances and their difference. Which rollouts say what would have been *without* the step?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `resampled[differs]` keeps the entries where `differs` is True. Booleans need `.float()` before a mean.
#
# </details>

# %% [markdown]
# ### Exercise 5 · all next steps, with their probabilities (15 minutes, medium)
#
# Sampling is needed where there are too many ways to go on. A puzzle of three numbers has at most 24 legal tries. So run *all* of them behind the cut text, one a row, and multiply up each one's probability. Then the chances are sums, without noise.


# %% tags=["exercise:utils.cases.thinking.continuation_log_probs"]
def continuation_log_probs(
    logits: Float[Tensor, "row pos d_vocab"], tokens: Int[Tensor, "row pos"], *, start: int
) -> Float[Tensor, " row"]:
    """The log probability, in nats, of each row's tokens from `start` on, given those before.

    Args:
        logits: those at a position are about the next token.
        start: the position of the first token that counts.
    """
    ### BEGIN SOLUTION
    log_probs = logits[:, start - 1 : -1].log_softmax(-1)
    return log_probs.gather(-1, tokens[:, start:, None])[..., 0].sum(-1)
    ### END SOLUTION


# %% tags=["check"]
continuation_log_probs = lesson_52.check_continuation_log_probs(continuation_log_probs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The probability of token 5 stands in the logits at position 4. So the logits from `start - 1` up to the last but one belong to the tokens from `start` up to the last.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `log_probs.gather(-1, tokens[:, start:, None])` picks one entry of each row and position. The probability of a sequence is a product, so its log is a sum.
#
# </details>

# %% [markdown]
# `thinking.exact_importance` builds on that: all next tries, and behind each failure all next tries again, some 500 texts a step. With $p$ the probability of a try in the step's place, and *solves* being 1 for a hit and else the chance that the next try hits,
#
# $$\text{importance} = \text{kept} - \frac{\sum p \cdot \text{solves}}{\sum p} \quad \text{over tries with another result.}$$
#
# *Kept* is 1 for a success, and else the chance that the next try hits. Tries that are not legal are left out of both sides; the most probability that they have in any text of a step is reported. The verdict of a failure is written as `( not 23 ) ,` (the model varies the word).
#
# Take 24 solved traces of three-number puzzles with three to five failures. For eight of them also sample 48 rollouts where each step begins, and compare. (A sampled text without a verdict counts as a failure where the step was kept, and drops out where it was drawn anew.)

# %%
drawn = verification.some_puzzles(500, generator=random.Random(18), variable=False)
triples = [each for each in drawn if len(each.numbers) == 3][:200]
texts = verification.write(
    model,
    [each.header for each in triples],
    n_tokens=100,
    temperature=1.0,
    generator=torch.Generator().manual_seed(2),
)
traces = []
for each, text in zip(triples, texts, strict=True):
    tried = countdown.read(each, text)
    fits = countdown.solved(tried) and all(one.legal for one in tried)
    if fits and 3 <= sum(not one.hit for one in tried) <= 5:
        traces.append((each, text, tried))
n_found, traces = len(traces), traces[:24]

exact = []  # for each trace, what `exact_importance` finds for each step but the re-check
for each, text, tried in traces:
    spans = [span for span, one in zip(thinking.steps(text), tried, strict=True) if not one.again]
    exact.append(
        [
            thinking.exact_importance(
                model, each, [*each.header, *text[:begin]], list(tried[i].words)
            )
            for i, (begin, _) in enumerate(spans)
        ]
    )
unread = torch.tensor([step.unread for each in exact for step in each])
n_steps = len(unread)
print(f"{n_found} traces fit, {n_steps} steps in the first {len(traces)}")
print(f"left out as not legal: median {unread.median():.3f}, most {unread.max():.2f}")

# %%
N_SAMPLED, N_ROLLOUTS, STEP = 8, 48, 14  # a step of a three-number puzzle has 14 words
cuts = []
for trace, (each, text, _) in enumerate(traces[:N_SAMPLED]):
    cuts += [(trace, i, each, text[:begin]) for i, (begin, _) in enumerate(thinking.steps(text))]
starts = [[*each.header, *before] for _, _, each, before in cuts for _ in range(N_ROLLOUTS)]
how = {"temperature": 1.0, "generator": torch.Generator().manual_seed(3)}
found = iter(verification.write(model, starts, n_tokens=2 * STEP + 1, **how))
rollouts = {
    (trace, i): [countdown.read(each, next(found)) for _ in range(N_ROLLOUTS)]
    for trace, i, each, _ in cuts
}

pairs, errors, owners = [], [], []
for trace, (_, _, tried) in enumerate(traces[:N_SAMPLED]):
    for i, one in enumerate(tried):
        if one.hit:
            continue
        drawn = rollouts[trace, i]
        kept = torch.tensor([countdown.solved(r[:1]) for r in rollouts[trace, i + 1]])
        resampled = torch.tensor([countdown.solved(r[:2]) for r in drawn])
        differs = torch.tensor([bool(r) and r[0].words[-1] != one.words[-1] for r in drawn])
        pairs.append((exact[trace][i].importance, float(importance(kept, resampled, differs))))
        counts = [(int(k.sum()) + 1, len(k) + 2) for k in (kept, resampled[differs])]
        owners.append(trace)
        errors.append(sum(s / n * (1 - s / n) / n for s, n in counts) ** 0.5)
pairs, errors = torch.tensor(pairs), torch.tensor(errors)
agree = torch.corrcoef(pairs.T)[0, 1].item()
inside = ((pairs[:, 0] - pairs[:, 1]).abs() < 2 * errors).float().mean().item()
difference = with_ends(pairs[:, 1] - pairs[:, 0], owners)
print(f"{len(pairs)} steps: correlation {agree:.2f}, exact within two standard errors {inside:.2f}")
print(f"standard error of a sampled one {errors.mean():.2f}; sampled - exact {spelled(difference)}")
figure = plots.scatter(
    {f"step {i}": (a, b) for i, (a, b) in enumerate(pairs.tolist())},
    title="48 rollouts a step scatter round the exact importance (bars: two standard errors)",
    x="exact, from all legal next tries",
    y="sampled",
    diagonal="equal",
)
bars = {"array": (2 * errors).tolist(), "thickness": 1, "width": 0}
figure.update_traces(error_y=bars, selector={"mode": "markers"})

# %% [markdown]
# Left out as not legal, in the worst text of each step: **3%** of the probability at the median step, **44%** at the worst. So "exact" means: among legal tries.
#
# For the failed steps the two agree: a correlation of **0.78**, and **100%** of the exact values are within two standard errors of the sampled ones. But the standard error of a sampled one is **0.10**, as large as most differences between failed steps. So 48 rollouts would not rank them. (On average sampled minus exact is **-0.01**, interval over traces **-0.04** to **0.01**. A real bias is possible too: rollouts include tries that are not legal.)

# %% tags=["numbers"]
claim("left out, median, %", 100 * unread.median(), text=3, within=1)
claim("left out, most, %", 100 * unread.max(), text=44, within=8)
claim("correlation", agree, text=0.78, within=0.12)
claim("within two standard errors, %", 100 * inside, text=100, within=12)
claim("standard error", errors.mean(), text=0.10, within=0.02)
claim("sampled - exact", difference[0], text=-0.01, within=0.03)
claim("sampled - exact, low", difference[1], text=-0.04, within=0.03)
claim("sampled - exact, high", difference[2], text=0.01, within=0.03)

# %% [markdown]
# *Predict first:* the success is positive and failures negative by the question. Does it matter *which* failures went before?

# %%
rows = []  # (trace, kind, importance, among misses)
spent = []  # (trace, chance that the next try hits: at the cut, behind an old result, a new one)
for trace, (each, _, tried) in enumerate(traces):
    seen = []
    for one, step in zip(tried, exact[trace], strict=False):
        name = "success" if one.hit else "same result again" if one.words[-1] in seen else "failure"
        rows.append((trace, name, step.importance, step.among_misses))
        again = torch.tensor([str(result) in seen for result in step.results])
        miss = torch.tensor([result != each.target for result in step.results])
        if (again & miss).any() and (~again & miss).any():
            old, new = (step.chances[some & miss].mean().item() for some in (again, ~again))
            spent.append((trace, step.chance, old, new))
        seen.append(one.words[-1])


def by_trace(name: str, column: int) -> torch.Tensor:
    """The mean over one kind of step, and its interval, drawing whole traces."""
    chosen = [row for row in rows if row[1] == name]
    return with_ends([row[column] for row in chosen], [row[0] for row in chosen])


owners, chances = [each[0] for each in spent], torch.tensor([each[1:] for each in spent])


def compared(name: str, a: int, b: int) -> torch.Tensor:
    """The mean of one chance minus another, and its interval, drawing whole traces."""
    ends = with_ends(chances[:, a] - chances[:, b], owners)
    print(f"chance that the next try hits, {name}: {spelled(ends)}")
    return ends


CUT, OLD, NEW = range(3)
gained_old = compared("behind an old result - before the step", OLD, CUT)
gained_new = compared("behind a new result - before the step", NEW, CUT)
n_again = sum(row[1] == "same result again" for row in rows)
STEPS = ("success", "failure", "same result again")
matters = {name: by_trace(name, 2) for name in STEPS}
which_miss = {name: by_trace(name, 3) for name in STEPS[1:]}
plots.intervals(
    {"against any other step": matters, "against another failure": which_miss},
    title="Against another failure, a new result helps and an old one costs",
    marks={"against any other step": 0, "against another failure": 0},
    alike=("against any other step", "against another failure"),
)

# %% [markdown]
# The success: **0.41** (**0.32** to **0.49**). A failure with a new result: **-0.22** (**-0.25** to **-0.20**). The signs are no finding: a kept success counts as 1, and a kept failure has spent its try. The sizes say how much a redrawn step would have brought.
#
# So ask about content: this failure against *another failure*. A result that is new helps, by **0.08** (**0.05** to **0.11**). A failure that finds an old result again costs: **-0.12** (**-0.24** to **-0.03**), but that is **16** steps.
#
# And these traces were selected (solved, with three to five failures). So look at all branches: every legal failure that *could* stand in each place where both kinds are possible, drawn or not, beside the chance *before* the step. Behind a new result, the chance that the next try hits has risen by **0.18** (**0.14** to **0.22**). Behind an old one it is about where it was: **0.02** (**-0.03** to **0.07**). So a repeat brings the model no closer that these numbers show. Two readings fit: each new result rules something out; or the model counts *results*, since in training the failures of a trace had different results and success came nearer with each. These numbers do not tell them apart.
#
# And the re-check? It is not in the figure. *Solved* is decided at the first accepted try, so its importance is 0 by definition.

# %% tags=["numbers"]
claim("success", matters["success"][0], text=0.41, within=0.05)
claim("success, low", matters["success"][1], text=0.32, within=0.06)
claim("success, high", matters["success"][2], text=0.49, within=0.06)
claim("failure", matters["failure"][0], text=-0.22, within=0.04)
claim("failure, low", matters["failure"][1], text=-0.25, within=0.04)
claim("failure, high", matters["failure"][2], text=-0.20, within=0.04)
claim("which failure", which_miss["failure"][0], text=0.08, within=0.03)
claim("which failure, low", which_miss["failure"][1], text=0.05, within=0.03)
claim("which failure, high", which_miss["failure"][2], text=0.11, within=0.03)
claim("same result again", which_miss["same result again"][0], text=-0.12, within=0.05)
again_costs = which_miss["same result again"]
claim("same result again, low", again_costs[1], text=-0.24, within=0.08)
claim("same result again, high", again_costs[2], text=-0.03, within=0.06)
claim("steps that find a result again", n_again, text=16, within=5)
claim("behind a new result", gained_new[0], text=0.18, within=0.04)
claim("behind a new result, low", gained_new[1], text=0.14, within=0.04)
claim("behind a new result, high", gained_new[2], text=0.22, within=0.04)
claim("behind an old result", gained_old[0], text=0.02, within=0.05)
claim("behind an old result, low", gained_old[1], text=-0.03, within=0.05)
claim("behind an old result, high", gained_old[2], text=0.07, within=0.05)
assert gained_old[2] < gained_new[1] and which_miss["failure"][1] > 0

# %% [markdown]
# ### Can attention tell?
#
# Resampling is dear. A popular short cut: a step that later tokens attend to must matter.
#
# ### Exercise 6 · received attention (15 minutes, medium)


# %%
def received_attention(pattern: torch.Tensor, spans: list) -> torch.Tensor:
    """How much a later token attends to each span, on average over the later tokens, [span].

    A token attends to a span by the sum over the span's tokens. 0 where no token comes after.

    Args:
        pattern: [q, k], one attention pattern, or a mean of several.
        spans: (begin, end) of each, where `end` is one past its last token.
    """
    ### BEGIN SOLUTION
    received = []
    for begin, end in spans:
        later = pattern[end:, begin:end]
        received.append(later.sum() / max(1, len(later)))
    return torch.stack(received)
    ### END SOLUTION


# %% tags=["check"]
received_attention = lesson_52.check_received_attention(received_attention)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Queries are rows, keys are columns. Later tokens are the rows from `end` on; the span is the columns from `begin` to `end`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Sum the block, then divide by its number of rows, and by 1 where there is no row.
#
# </details>

# %% [markdown]
# The guesses: received attention, from all later tokens or from later brackets alone (where verdicts are due), **averaged over all heads** of all layers; and the step's position. (Length, a usual baseline, is the same for all steps here.) The measure is the rank correlation with the exact importance within each trace: over all steps, for traces with and without a re-check, and over failures alone (against another failure).
#
# *Predict first:* position knows that the last step is the success. When can attention know it?

# %%
correlations: dict[tuple[str, str], list[float]] = {}
for (each, text, tried), steps in zip(traces, exact, strict=True):
    end = sum(not one.again for one in tried)
    failures = [i for i in range(end) if not tried[i].hit]
    for name, guess in thinking.guesses(model, each, text).items():
        follows = "a re-check follows" if tried[-1].again else "no re-check"
        for over, chosen, truth in (
            (follows, list(range(end)), [step.importance for step in steps]),
            ("failures", failures, [steps[i].among_misses for i in failures]),
        ):
            value = spearmanr(guess[chosen], truth).statistic
            correlations.setdefault((over, name), []).append(value)
ranks = {key: with_ends(torch.tensor(values)) for key, values in correlations.items()}
OVER = ("a re-check follows", "no re-check", "failures")
GUESSES = list(dict.fromkeys(name for _, name in ranks))
LATER, VERDICTS = "attention from later tokens", "attention from later verdicts"
followed, ended, among = ({name: ranks[over, name] for name in GUESSES} for over in OVER)
print({over: len(correlations[over, "position"]) for over in OVER}, "traces")
plots.intervals(
    {over: {name: ranks[over, name] for name in GUESSES} for over in OVER},
    title="Attention finds the success only where something follows it",
    marks=dict.fromkeys(OVER, 0),
    alike=OVER,
)

# %% [markdown]
# Where a re-check follows (**12** of the 24 traces), attention from later tokens has **0.53** (**0.40** to **0.67**), close to position's **0.61** (**0.42** to **0.78**). Where none follows, attention has **-0.18** (**-0.39** to **0.06**), position **0.38** (**0.25** to **0.52**). The reason is plain: behind the last step there is next to no token that could attend to it. So received attention asks "was it looked at again?", and whether a text goes on is, here, a coin. From later *verdicts* the correlation is below 0 on both sides; why it is so where a re-check follows, we did not find out.
#
# Among failures, attention has **0.10** (**-0.16** to **0.38**) and position **0.01** (**-0.28** to **0.27**). With three to five failures a trace the intervals are wide.
#
# A mean over heads may hide a head that tells. (Thought Anchors picks *receiver heads*.) But with 24 heads and 24 traces the best one may be good by luck: choose it on some traces and test it on others. And a guess must beat *position*.

# %% tags=["numbers"]
claim("traces, re-check", len(correlations[OVER[0], LATER]), text=12, within=5)
claim("attention, re-check", followed[LATER][0], text=0.53, within=0.12)
claim("attention, re-check, low", followed[LATER][1], text=0.40, within=0.13)
claim("attention, re-check, high", followed[LATER][2], text=0.67, within=0.13)
claim("position, re-check", followed["position"][0], text=0.61, within=0.12)
claim("position, re-check, low", followed["position"][1], text=0.42, within=0.13)
claim("position, re-check, high", followed["position"][2], text=0.78, within=0.13)
claim("attention, none", ended[LATER][0], text=-0.18, within=0.15)
claim("attention, none, low", ended[LATER][1], text=-0.39, within=0.15)
claim("attention, none, high", ended[LATER][2], text=0.06, within=0.15)
claim("position, none", ended["position"][0], text=0.38, within=0.12)
claim("position, none, low", ended["position"][1], text=0.25, within=0.13)
claim("position, none, high", ended["position"][2], text=0.52, within=0.13)
claim("attention, failures", among[LATER][0], text=0.10, within=0.1)
claim("attention, failures, low", among[LATER][1], text=-0.16, within=0.1)
claim("attention, failures, high", among[LATER][2], text=0.38, within=0.1)
claim("position, failures", among["position"][0], text=0.01, within=0.1)
claim("position, failures, low", among["position"][1], text=-0.28, within=0.1)
claim("position, failures, high", among["position"][2], text=0.27, within=0.1)
assert all(ends[1] < 0 < ends[2] for ends in among.values())
assert followed[VERDICTS][2] < 0 and ended[VERDICTS][2] < 0
assert followed[LATER][1] > max(0, ended[LATER][2]) and ended["position"][1] > 0

# %% [markdown]
# ## 6. The bridge to a real model
#
# All this was a toy, trained on traces that we wrote. What carries over is the **code**. `survey` (in `utils/cases/survey.py`) does the first half of lesson 5.1 on any model: plain text with two solved examples, then a line such as `12 + 7 - 4 = 15 (`, half of them hits. It returns the verdict (`this` against `not`), probes by layer, attention from the result to the target, and the ranking of heads. It copes with shared key-value heads, as in Qwen and in SmolLM2.
#
# On a GPU, set `REAL` at the top to a model from the hub that was trained to reason, and run this section again. By default it runs on SmolLM2, which was not trained for this game. So first a gate: **can a general model tell a hit from a miss at the bracket at all?**
#
# Controls: a probe where the *target* ends, before there is a result; and probes with shuffled labels. The best of 31 layers is good by luck alone, so hold it against the best of 31 for each shuffle.

# %%
real = load(REAL) if REAL else load()
few = [each for each in triples if each.target not in each.numbers]
seen = survey(real, few[:200] if REAL else few[:24])
best = {name: float(getattr(seen, name).max()) for name in ("bracket", "result", "before")}
by_luck, shuffled = seen.shuffled.max(1).values, seen.shuffled[:, 1:]
drawn = torch.randint(
    len(seen.hit), (500, len(seen.hit)), generator=torch.Generator().manual_seed(0)
)
drawn = [some for some in drawn if 0 < seen.hit[some].sum() < len(some)]
error = torch.tensor([stats.auc(seen.verdicts[i], seen.hit[i].int()) for i in drawn]).std()
rounded = {name: round(value, 2) for name, value in best.items()}
print(f"verdict AUC {seen.verdict_auc:.2f}, standard error {error:.2f}; best layer {rounded}")
print(f"best layer with shuffled labels: mean {by_luck.mean():.2f}, highest {by_luck.max():.2f}")
print(f"one layer with shuffled labels: mean {shuffled.mean():.2f}, sd {shuffled.std():.2f}")
for name, scores in (("attend to the target", seen.to_target), ("drive neurons", seen.drives)):
    top = ", ".join(f"L{at}H{head} {scores[at, head]:.3f}" for at, head in top_heads(scores, 3))
    print(f"heads that {name}: {top}; median of all {scores.median():.3f}")
in_both = set(top_heads(seen.to_target, 10)) & set(top_heads(seen.drives, 10))
print("in the first ten of both rankings:", sorted(in_both))
plots.lines(
    {
        "probe at the bracket": seen.bracket,
        "probe at the result": seen.result,
        "probe at the target (control)": seen.before,
        "best of shuffled labels": by_luck.mean().expand(len(seen.bracket)),
        "the model's own verdict": torch.tensor(seen.verdict_auc).expand(len(seen.bracket)),
    },
    title="Probes by layer"
    if REAL
    else "SmolLM2's states tell hits from misses; its verdicts may not",
    x="layer",
    y="AUC",
    chance=0.5,
)

# %% [markdown]
# From the state at the bracket a probe tells hits from misses with an AUC of **0.98** at the best layer, at the result **1.00**; the best layer for shuffled labels has **0.68** on average, and the target, before there is a result, **0.78** (single shuffles reach more, so luck can do that). The model's own verdict has **0.62**, with a standard error of **0.11**: that could be chance, or well above it. So SmolLM2's states hold what it would need, and these 24 texts cannot tell whether its verdict uses any of it.
#
# Why is the probe *below* chance in early layers, at **0.20** in the worst? With 24 texts chance is wide: for shuffled labels the AUC at one layer has a mean of **0.46** and a standard deviation of **0.17**, and some shuffles fall lower still. Neighbouring layers hold much the same, so one unlucky draw shows in all of them. Luck may be all there is to it, but these texts cannot show that: it is not explained. Do not turn such a probe round and call it a finding.
#
# The two rankings name different heads: of the ten that attend most from the result to the target, led by L8H1, none is among the ten that most drive the neurons along the probe. (Of 270 heads, chance would give less than one in both.) The best drive is **0.053**, little above the median of all heads, **0.043**, and a random matrix gives about `0.042`. In lesson 5.1 the ranking had three layers to search. Here it names candidates at most.
#
# Do not read the probe as "it checks". In a hit, the result's digits have come before, as the target; in a miss mostly not. A head that notices *any* repeated number would give the same probe. Lesson 5.1's ablations are how one would find out, and `seen.to_target` and `seen.drives` are where they start.

# %% tags=["numbers"]
if REAL is None:
    claim("bracket, best layer", best["bracket"], text=0.98, within=0.06)
    claim("result, best layer", best["result"], text=1.00, within=0.04)
    claim("shuffled, best layer", by_luck.mean(), text=0.68, within=0.07)
    claim("target, best layer", best["before"], text=0.78, within=0.12)
    claim("verdicts", seen.verdict_auc, text=0.62, within=0.12)
    claim("standard error", error, text=0.11, within=0.03)
    claim("bracket, worst layer", seen.bracket.min(), text=0.20, within=0.1)
    claim("one shuffled layer, sd", shuffled.std(), text=0.17, within=0.05)
    claim("one shuffled layer, mean", shuffled.mean(), text=0.46, within=0.04)
    claim("best drive", seen.drives.max(), text=0.053, within=0.004)
    claim("median drive", seen.drives.median(), text=0.043, within=0.003)
    assert not in_both and top_heads(seen.to_target, 1) == [(8, 1)]
    assert shuffled.min() < seen.bracket.min()
    assert best["before"] < by_luck.max() < best["bracket"]

# %% [markdown]
# ## What you found

# %% tags=["results"]
few_checks = f"{spelled(free)} unsteered; random at least {randoms[EARLY, 'checks'].min():.2f}"
unsteered = spelled(shown(LATE, "solved", 0.0)) + " unsteered"
by_place = [spelled(each["position"]) for each in (followed, ended)]
late_stop, early_stop = (spelled(shown(name, "solved", -0.5)) for name in PUSHES)
plots.table(
    [
        ("false claims waved through", spelled(stamp["miss", THIS]), f"{uncalled:.2f} no check"),
        ("re-checks, stop before block 1", spelled(stopped), few_checks),
        ("solved, stop before block 1", early_stop, unsteered),
        ("solved, stop at layer 3", late_stop, unsteered),
        ("re-checks, go on at layer 3", spelled(looped), spelled(free) + " unsteered"),
        ("next chance, new result", spelled(gained_new), spelled(gained_old) + " old result"),
        ("attention, re-check", spelled(followed[LATER]), f"{by_place[0]} position"),
        ("attention, no re-check", spelled(ended[LATER]), f"{by_place[1]} position"),
        ("bracket probe, SmolLM2", f"{best['bracket']:.2f}", f"{by_luck.mean():.2f} shuffled"),
    ],
    columns=["", "ours (3 layers, unless named)", "control"],
)

# %% [markdown]
# ## What this does not show
#
# - That large reasoning models re-check by rubber stamp. It shows that a re-check which *looks* right on every text the model writes can be mostly a stamp, and how to ask.
# - That continuing is one direction in larger models, or that it is not. Here the readout is one, and the push that did what we wanted was another.
# - How much failures teach in a search that reasons about them. Here a new result raises the next try's chance; whether by ruling out or by counting, we did not find out.
#
# ## Questions to discuss
#
# 1. Which training traces would make the re-check a real one? How few false claims among them would do?
# 2. Section 3's push decides the coin and leaves what comes next alone. How would you build a push that makes the model write a *new try* behind a success?
# 3. A failed step's importance is negative on average, largely by the way the question is asked. What question about a failure would you rather ask, and what would you hold fixed?
# 4. In section 4 the share solved could hardly rise. What model, and what measure, would leave room for thinking longer to pay?
#
# ## Common mistakes
#
# - Calling a verdict a check because it is always right, on texts where it could not be wrong.
# - Taking the layer where the smallest push moves most for the layer to steer at. Look at what the push does at the *other* positions.
# - Taking the layer where steering works best for the layer where the decision is made. At the end of the stream every readout steers.
# - Counting rollouts that drew the same step again as "without the step".
# - Reporting longer texts as more thought. Look at what the added words are.
# - Scoring importance guesses without position beside them.
#
# ## Where this breaks
#
# One model, one seed, three layers, one game, and a coin in the training data where a reasoning model has reasons. The exact importance looks one try ahead and leaves out tries that are not legal; verdict words are fixed. Section 6 has 24 texts and one prompt.
#
# ## Further reading
#
# - Bogdan et al. (2025), *Thought Anchors: Which LLM Reasoning Steps Matter?*, arXiv 2506.19143
# - Lee et al. (2025), *The Geometry of Self-Verification in a Task-Specific Reasoning Model*, arXiv 2504.14379
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.1 · How a reasoning model checks itself](51_self_verification.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("52")
