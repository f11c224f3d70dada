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
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.1 · How a reasoning model checks itself](51_self_verification.ipynb) | **Next:** [5.3 · Pointers: binding and belief](53_pointers.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/53_pointers.ipynb)
#
# By the end of this lesson you will be able to
#
# 1. tell a check from a rubber stamp, by its behaviour and inside the model;
# 2. steer a model at one kind of token **while it writes**, and say what an unchanged score excludes;
# 3. in *Going deeper*, compute how much one step of a trace matters, **exactly**, over a fixed horizon, and measure loops apart from length.
#
# **Time** 70 minutes for the core, and 90 minutes for *Going deeper*. **Needs** lesson 5.1: the game, and ablating heads at places; 3.1: steering.
# **Runs** in about a minute and a half on a laptop's processor. If you take one section of *Going deeper*, take the first: exact importance.
#
# **First, play.** The third cell shows a text in which a model takes a second look at its own success, and then a false claim of ours. Change the try or the target. Can you find a wrong answer that the second look refuses?

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
import random, zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import spearmanr
from torch import Tensor
from transformer_lens.utilities.statistics import success_rate_ci

from data.countdown import task as countdown
from utils import plots, stats, steering
from utils.activations import next_logits
from utils.cases import thinking, verification
from utils.cases.survey import survey
from utils.cases.thinking import Exact, rejected
from utils.cases.verification import without_heads
from utils.checks import lesson_52
from utils.checks.predict import outcome, predict
from utils.circuits import figures
from utils.heads import head_name, random_heads, top_heads
from utils.lesson import claim
from utils.models import load
from utils.steering import hook_name

model = load("countdown/recheck_0")
cfg = model.cfg

# %%
N_TOKENS = 130
puzzles = verification.some_puzzles(200, generator=random.Random(15))
headers = [each.header for each in puzzles]
written = verification.write(model, headers, n_tokens=N_TOKENS, temperature=1.0)
i = next(i for i, words in enumerate(written) if words.count("(") == 3 and "check" in words)
print("the model's own:", " ".join([*headers[i], "|", *written[i]]), "\n")


def yes_after(texts: Sequence[Sequence[str]]) -> Tensor:
    """The probability of a yes, over yes and no, after each text, [text]."""
    logits = next_logits(model, [" ".join(words) for words in texts])
    return verification.yes_share(logits)


HEADER, TRIED = "make 24 from 12 7 4 9 :", "4 + 9 = 13 + 12 = 25 - 7 = 18"  # change these
header, tried = HEADER.split(), TRIED.split()
for text in ([*header, *tried, "("], thinking.checked_again(header, tried)):
    print(" ".join(text), f"... yes with a probability of {yes_after([text])[0]:.2f}")

# %% [markdown]
# (Headers that the model was trained on begin with filler words such as `now so`, which mean nothing.) At the first bracket the model says no, since 18 is not 24. In the second text we wrote `this works` for it. Asked to check the same try, it says yes.
#
# ## 1. A model that takes a second look
#
# Does it pay to let a model reconsider? Wendler, in the ARBOR project (github.com/ARBORproject/arborproject.github.io, issue 8), found directions in DeepSeek-R1-Distill-Llama-8B that make it reconsider or finish. Another author there reports that reconsidering raised a score on MATH500 from `90.00%` to `93.75%`. Ask two questions of any such report, and of ours: **what would this sample exclude**, and **could the score have risen at all?** (*Going deeper* returns to both reports.)
#
# Our model is a sibling of lesson 5.1's, with three layers. It was **trained on made-up traces, not by reinforcement learning**. In some of its traces a success is checked once more: `( this works ) , check 12 + 7 = 19 - 4 = 15 ( yes works )`. Then the trace ends.
# So after a success the next word is `,` (go on) or the end token `<eos>` (stop). Call this place a **fork**. `thinking.endings` finds every `)`. There are three kinds: after a try that was rejected (*failure*), after the first one that was accepted (*first success*), and after a second look (*re-check*). `thinking.going_on` reads the probabilities there; `share` is that of `,` over `,` and `<eos>` together. The table below takes the last `)` of each kind in a text.

# %%
predict(
    "52.fork",
    "About half of the first successes are checked again. Look at one first success at a time: is its share near a half, or near 0 or 1?",
    choices=["near a half at each", "near 0 at some, near 1 at others"],
)

# %% tags=["folded"]
# The share at the last `)` of each kind in every text, and how well the model plays.
KINDS = ("failure", "first success", "re-check")
FAILURE, SUCCESS, RECHECK = range(3)
found = thinking.endings(model, puzzles, written)
last = {pair: i for i, pair in enumerate(zip(*(p.tolist() for p in found[2:]), strict=True))}
ends = found.where(torch.tensor(sorted(last.values())))
kind, puzzle = ends.kind.cpu(), ends.puzzle.cpu()
fork = thinking.going_on(model, ends)
outcome(
    "52.fork",
    "near a half at each"
    if fork.share[kind == SUCCESS].sub(0.5).abs().max() < 0.2
    else "near 0 at some, near 1 at others",
)
judged = [countdown.read(*pair) for pair in zip(puzzles, written, strict=True)]
solved = [countdown.solved(each) for each in judged]
right = [one.accepted == one.hit for each in judged for one in each]
again = [each[-1].again for each, ok in zip(judged, solved, strict=True) if ok]
played_well = {"puzzles solved": solved, "verdicts right": right, "successes checked again": again}
shares = {name: fork.share[kind == k] for k, name in enumerate(KINDS)}
plots.table(
    [(name, f"{100 * sum(x) / len(x):.0f}%", f"of {len(x)}") for name, x in played_well.items()]
    + [
        (f"share at `)`, {name}", f"{x.mean():.3f}", f"{x.min():.3f} to {x.max():.3f}")
        for name, x in shares.items()
    ],
    columns=["", "mean", "range or number"],
)

# %% [markdown]
# At every first success the share is near **0.50**. In the training traces a coin decided which successes were checked. The model has learned the coin, and the sampling decides. An analysis that asks what in the text made the model check *this* success would look for something that is not there. And every verdict is right, at the second look too. Does that make it a check?

# %% tags=["numbers"]
at_fork = fork.share[kind == SUCCESS]
claim("share at the fork", at_fork.mean(), text=0.50, within=0.02)
assert at_fork.min() > 0.47 and at_fork.max() < 0.53
assert fork.share[kind == FAILURE].min() > 0.99 and fork.share[kind == RECHECK].max() < 0.01
assert sum(right) / len(right) > 0.99 and 0.35 < sum(again) / len(again) < 0.6
assert sum(solved) / len(solved) > 0.7

# %% [markdown]
# ## 2. A check, or a rubber stamp?
#
# In training, every re-check came after a true success and said yes. Two mechanisms fit that equally well: compare the result with the target again, or say yes because `check` stands there. On the model's own texts the two give the same answers. A false claim tells them apart (here the target is 24, and the try gives 18):
#
# | row | what stands before the second look at a try |
# |---|---|
# | said this works; check | `18 ( this works ) , check ... = 18 (` |
# | said this works; no check | `18 ( this works ) , ... = 18 (` |
# | said not N; check, or no check | `18 ( not 18 ) , check ... = 18 (`, and so on |
# | said nothing; check (control) | `: check ... = 18 (` |
# | said this works of a hit; check (control) | a *true* claim about another try: `24 ( this works ) , check ... = 18 (` |
#
# Each is asked of tries that hit and of tries that miss, and of misses apart by how many numbers the puzzle has.

# %% tags=["folded"]
# The share of texts with a yes at the second look; misses apart by the size of the puzzle.
some = verification.some_puzzles(100, generator=random.Random(17))
size = torch.tensor([len(each.numbers) for each in some])
says = {key: yes_after(texts) > 0.5 for key, texts in thinking.claims_checked(some).items()}


def share(yes: Tensor) -> Tensor:
    """How often True, with the ends of its exact 95% interval, [3]."""
    found = success_rate_ci(yes.bool().tolist())
    return torch.tensor([found.point_estimate, found.ci_low, found.ci_high])


def spelled(ends: Tensor, form: str = "{:.2f} ({:.2f} to {:.2f})") -> str:
    """A value and its interval as text."""
    return form.format(*ends)


THIS = "said this works; check"
PANELS = {"hit": ("hit", 0), "miss, 3 numbers": ("miss", 3), "miss, 4 numbers": ("miss", 4)}
stamp = {
    panel: {
        how: share(yes[(size == n) | (n == 0)]) for (name, how), yes in says.items() if name == of
    }
    for panel, (of, n) in PANELS.items()
}
plots.intervals(stamp, title="How often does the second look say yes?", alike=tuple(PANELS))

# %% [markdown]
# Without `check`, no miss gets a yes. With it, **0.90** of the false claims about three numbers do (second panel, first row), and **0.29** of those about four. Over both sizes together the share is `0.61`. "More than half" would be true of that mixture, and false of the puzzles with four numbers. (At three other seeds: `0.88` to `0.98` for three numbers, `0.29` to `0.49` for four.) So `check` is needed for these yeses, but the try counts too: all hits get theirs.
#
# The two controls. With nothing said before, the word alone brings a yes to `0.73` of the misses with three numbers, and to `0.02` of those with four. The largest effect is the last row: after a *true* claim about another try, a miss gets a yes in `0.92` (three numbers) and in 48 of 48 (four). So what stood at the first bracket counts too. In training every `check` came after a true success, as in this row.
#
# All these texts are unlike anything that the model writes: a false claim is far from its training. What does a *true* re-check rest on?

# %% tags=["numbers"]
three, four = stamp["miss, 3 numbers"], stamp["miss, 4 numbers"]
claim("yes to false claims, three numbers", three[THIS][0], text=0.90, within=0.1)
claim("yes to false claims, four numbers", four[THIS][0], text=0.29, within=0.04)
assert three[THIS][1] > 0.5 > four[THIS][2]
assert all(row[0] == 1 for row in stamp["hit"].values())
assert max(three["said this works; no check"][0], four["said this works; no check"][0]) < 0.02
of_hit = "said this works of a hit; check"
assert three[of_hit][0] > 0.85 and four[of_hit][0] > 0.95
assert three["said nothing; check"][0] > 0.5 > 0.1 > four["said nothing; check"][0]

# %% [markdown]
# ### Inside a true re-check
#
# Take the model's own texts, up to the second look. `thinking.second_looks` gives the brackets after the first success, those of the second look, those of the failures, and where `check` stands. The texts of the first 100 puzzles are for choosing heads, the others for testing. As in lesson 5.1, heads that compare attend from the result to the target: here, those that do so with more than half of their attention.

# %%
looks = {
    name: thinking.second_looks(model, puzzles[part], written[part])
    for name, part in (("choosing", slice(100)), ("testing", slice(100, None)))
}
chosen, tested = looks.values()
to_target = verification.attention(model, chosen.first, chosen.first.target, back=1).mean(-1)
comparing = [divmod(int(i), cfg.n_heads) for i in (to_target > 0.5).flatten().nonzero()]
print(f"{len(tested.second.pos)} second looks and {len(tested.misses.pos)} failures to test on")
print("from the first result to the target:", [head_name(head) for head in comparing])

# %% [markdown]
# Ablating those heads is lesson 5.1's tool. To ask whether the bracket must *see* `check`, you need another one, **attention knockout** (Geva and colleagues, arXiv 2304.14767): forbid a position to attend to another one, in all heads of all layers.
#
# ### Exercise 1 · knock out attention (8 minutes, medium)
#
# `blocks.L.attn.hook_attn_scores` has the scores before the softmax, [text, head, query, key]. Write a context manager, as in lesson 5.1.


# %% tags=["exercise:utils.cases.thinking.cut_attention"]
@contextmanager
def cut_attention(
    model, text: Int[Tensor, " edge"], query: Int[Tensor, " edge"], key: Int[Tensor, " edge"]
) -> Iterator[None]:
    """Within it, no head of any layer attends from `query` to `key`: attention knockout.

    The scores are minus infinity there before the softmax, so that the attention goes to the other
    keys. All else stays.

    Args:
        text, query, key: of each edge: which text of the batch it is in, the position that would
            attend, and the position that it would attend to.

    Source: Geva et al., 2023 (arXiv 2304.14767).
    """
    ### BEGIN SOLUTION

    def forbid(scores, hook):
        scores = scores.clone()
        scores[text, :, query, key] = -torch.inf
        return scores

    names = [f"blocks.{layer}.attn.hook_attn_scores" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, forbid) for name in names]):
        yield
    ### END SOLUTION


# %% tags=["check"]
cut_attention = lesson_52.check_cut_attention(cut_attention)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# A hook gets the scores of one layer, and returns new ones. What score gives an attention of 0 after the softmax?
#
# </details>
# <details><summary>Hint 2</summary>
#
# In a clone, `scores[text, :, query, key] = ...` sets one entry for each edge in every head. One hook serves all layers: `with model.hooks(fwd_hooks=[(name, forbid) for name in names]): yield`.
#
# </details>

# %%
predict(
    "52.knockout",
    "Ablate the comparing heads at bracket and result, where the try is a hit. At which look does the yes survive in more than half of the texts?",
    choices=["at neither", "at the first look alone", "at the second look alone", "at both"],
)


# %%
def accepted(positions, heads=(), cut=None) -> Tensor:
    """Whether the model says yes without heads at bracket and result, and blind to some words."""
    knocked_out = nullcontext()
    if cut is not None:  # [text], or [word, text]
        text, pos = (x.expand_as(cut).flatten() for x in (positions.text, positions.pos))
        knocked_out = cut_attention(model, text, pos, cut.flatten())
    with knocked_out, without_heads(model, heads, at=positions.at(0, 1)):
        return verification.accepted(model, positions).float()


# %% tags=["folded"]
# What is left of the yes, a row for each thing that is taken away.
first, second, misses, check = tested.first, tested.second, tested.misses, tested.check
generator = torch.Generator().manual_seed(0)
like = {"layers": [1], "n_heads": cfg.n_heads, "but": comparing, "generator": generator}
others = [random_heads(len(comparing), **like) for _ in range(5)]
claim_words = torch.stack([first.pos + i for i in (1, 2, 3)])  # `this works )`
ROWS = {  # heads, one set or several; what the bracket cannot attend to
    "nothing": ([[]], None),
    "comparing heads": ([comparing], None),
    "as many other heads of the layer": (others, None),
    "attention to `check`": ([[]], check),
    "comparing heads, and attention to `check`": ([comparing], check),
    "comparing heads, and attention to `this works )`": ([comparing], claim_words),
    "other heads, and attention to `check`": (others, check),
}
left = {}  # [draw of heads, text], where a `check` can be cut at the second look alone
for name, (sets, cut) in ROWS.items():
    for where, positions in (("first", first), ("failures", misses), ("second", second)):
        if cut is None or where == "second":
            yes = [accepted(positions, heads, cut) for heads in sets]
            left[name, where] = torch.stack(yes)


def cell(yes: Tensor | None) -> str:
    """One set of heads with its exact interval; of several the mean, and the draws' range."""
    if yes is None:
        return ""
    low, high = yes.mean(1).aminmax()
    several = f"{yes.mean():.2f} ({len(yes)} draws, {low:.2f} to {high:.2f})"
    return several if len(yes) > 1 else spelled(share(yes[0]))


survives = {name: left[name, "second"].mean() for name in ROWS}
kept_at = (bool(left["comparing heads", where].mean() > 0.5) for where in ("first", "second"))
SAID = {(False, True): "at the second look alone", (True, False): "at the first look alone"}
SAID |= {(False, False): "at neither", (True, True): "at both"}
outcome("52.knockout", SAID[tuple(kept_at)])
sizes = (("first", first), ("failures", misses), ("second", second))
plots.table(
    [(name, *(cell(left.get((name, where))) for where, _ in sizes)) for name in ROWS],
    columns=["taken away", *(f"yes, {name}, {len(x.pos)} (exact 95%)" for name, x in sizes)],
)

# %% [markdown]
# At the first look the comparing heads are needed: without them hits are accepted as rarely as failures. At the second look all 37 yeses survive without them. All survive too where the bracket cannot attend to `check`. Take both away, and 1 of 37 is left.
#
# So for these true hits *either route is enough*. This is a trap for ablations: each alone says "not needed", and yet both are used. Two controls: other heads in place of the comparing ones, with the cut, leave the yes where it was. So does cutting the first verdict, `this works )`, in place of `check`.
#
# (For hits this is a logical OR. For misses it depends on what stood before: after a true claim they pass, as an OR would give, and after a false one, which training never had, fewer do.)

# %% tags=["numbers"]
assert survives["comparing heads, and attention to `check`"] < 0.15
assert min(survives["comparing heads"], survives["attention to `check`"]) > 0.9
assert survives["comparing heads, and attention to `this works )`"] > 0.9
assert survives["other heads, and attention to `check`"] > 0.95
without, failing = (left["comparing heads", where].mean() for where in ("first", "failures"))
assert without < 0.1 and without - failing < 0.1
assert comparing == [(1, 3), (1, 4), (1, 5)]

# %% [markdown]
# ### Investigation · who holds the stamp? (5 minutes, medium)
#
# So `check` brings a yes by itself: a rubber stamp. One head carries it to the second bracket. `trial(head)` ablates one head there, where the comparing heads are ablated too, and tells how often the yes is left. You have **two** trials for the 21 heads that do not compare. Measuring attention costs none: `chosen.second` are the second brackets of the texts for choosing, and `chosen.check` says where `check` stands in each. Your answer is a pair (layer, head).

# %%
trials = []  # run this cell again only to start over


# %%
def trial(head: tuple[int, int]) -> float:
    """How often the yes is left without the comparing heads and, at the bracket, one more."""
    if len(trials) == 2:
        raise RuntimeError("Your two trials are spent.")
    trials.append(head)
    with without_heads(model, [head], at=second.at(0)):
        return accepted(second, comparing).mean().item()


# %% tags=["answer:stamp_head"]
### BEGIN SOLUTION
stamp_head = (0, 4)
### END SOLUTION

# %% tags=["check"]
stamp_head = lesson_52.check_stamp_head(stamp_head)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Which word must it read, and from where? `verification.attention` was used above Exercise 1.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `verification.attention(model, chosen.second, chosen.check).mean(-1)` has every head's attention from the second bracket to that word, [layer, head]. Give a trial to the head with most of it, and one to the next.
#
# </details>

# %% [markdown]
# That the yes falls without a head shows that the head is needed there. Is it *enough*? Put its output at a second bracket into a **first** bracket, where nothing was checked. The donors are second looks of the choosing half.

# %% tags=["folded"]
# First looks with the output of some heads taken from a second look.
donated = {}
for name, positions, out in (
    ("hits, comparing heads ablated", first, comparing),
    ("failures, nothing ablated", misses, []),
):
    draw = torch.randint(len(chosen.second.pos), (len(positions.pos),), generator=generator)
    donors = chosen.second.take(draw)
    rest = [(0, head) for head in range(cfg.n_heads) if (0, head) != stamp_head]
    donated[name] = [share(accepted(positions, out))]
    for heads in ([stamp_head], rest):
        with verification.put_in(model, positions, donors, heads=heads, backs=(0,)):
            donated[name].append(share(accepted(positions, out)))
with without_heads(model, [stamp_head], at=second.at(0)):
    alone = accepted(second).mean()
print(f"second looks, the stamp head alone ablated: yes {alone:.2f}")
plots.table(
    [(name, *map(spelled, values)) for name, values in donated.items()],
    columns=[
        "first looks",
        "yes (exact 95%)",
        "stamp head's output put in",
        "the layer's other heads' put in",
    ],
)

# %% tags=["folded"]
# The two routes.
COMPARE, STAMP = "heads L1H3, L1H4, L1H5<br>at result and bracket", "head L0H4<br>at the bracket"
places = {"result = target?": (0, 1), COMPARE: (1.6, 1), "the word check": (0, -0.4)}
edges = [("result = target?", COMPARE, "compare"), (COMPARE, "yes or no")]
figures.diagram(
    places | {STAMP: (1.6, -0.4), "yes or no": (3.2, 0.3)},
    [*edges, ("the word check", STAMP, "stamp"), (STAMP, "yes or no")],
    title="Two routes to a yes: for a true success either is enough",
    marked=[STAMP],
)

# %% [markdown]
# Without the stamp head alone every yes stays: the comparing heads are enough. In hits where nothing compares, the stamp head's output brings a yes to most (95%: `0.62` to `0.90`). In failures, where the comparison says no, it brings one to a minority (`0.25` to `0.47`). The output of the layer's other heads brings none. So the second look of this model is a check *and* a stamp. That every verdict is right could not tell you so.

# %% tags=["numbers"]
to_check = verification.attention(model, chosen.second, chosen.check).mean(-1)
assert [stamp_head] == top_heads(to_check, 1) and to_check.max() > 0.9
brought = [values[1] for values in donated.values()]
assert alone > 0.95 and brought[0][1] > 0.5 > brought[1][2] and brought[1][1] > 0.15
assert max(max(values[0][0], values[2][0]) for values in donated.values()) < 0.1

# %% [markdown]
# ## 3. Go on or stop, while it writes
#
# Now push the model at the fork. Section 2 was about the opening bracket, where a verdict is due; from here on all happens at the *closing* one, `)`. Vectors are differences of means of the residual stream at `)`: failure - re-check (from a place that always stops to one that always goes on), success - re-check, and failure - success. Layer L is the stream before block L; layer 3 is its end, after the last block. The dose is in units of the median length of the stream at `)`.
#
# A push has to be added at every `)` that the model writes, and each row has them elsewhere. With the key-value cache only the newest token runs, so counting positions does not help. The hook has to know *which tokens run now*.
#
# ### Exercise 2 · steer at one kind of token (10 minutes, medium)
#
# A hook sees activations, not tokens. TransformerLens's model is a **bridge**, a wrapper that gives names to hook points; the Hugging Face model inside it is `model.original_model`. A *pre-hook* on that one sees its input: `model.original_model.register_forward_pre_hook(note, with_kwargs=True)` calls `note(module, args, kwargs)` before each run, and returns a handle. `hook_name(model, layer)` is the name of the stream's hook. Begin with this, and add the hook that pushes:
#
# ```python
# running = {}
#
# def note(module, args, kwargs):
#     running["tokens"] = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
#
# handle = model.original_model.register_forward_pre_hook(note, with_kwargs=True)
# try:
#     ...  # open `model.hooks(fwd_hooks=[...])` here, and yield
# finally:
#     handle.remove()
# ```


# %% tags=["exercise:utils.cases.thinking.steer_at"]
@contextmanager
def steer_at(
    model, vector: Float[Tensor, "*row d_model"], *, layer: int, token: int
) -> Iterator[None]:
    """Within it, `vector` is added wherever the model reads `token`, also in what it writes itself.

    While a model writes with its key-value cache, only the newest token runs. So what is compared
    with `token` are the tokens that run now, which the model's input says at each run. On leaving,
    also by an error, its hooks go away.

    Args:
        vector: added to the residual stream before block `layer`; at n_layers, after the last.
            [d_model], or [batch, 1, d_model] for a vector of each row's own.
        token: a token's number, such as that of `)`.
    """
    ### BEGIN SOLUTION
    running = {}

    def note(module, args, kwargs):
        running["tokens"] = kwargs["input_ids"] if "input_ids" in kwargs else args[0]

    def push(resid, hook):
        here = (running["tokens"] == token)[..., None]
        return resid + here * vector

    handle = model.original_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        with model.hooks(fwd_hooks=[(hook_name(model, layer), push)]):
            yield
    finally:
        handle.remove()
    ### END SOLUTION


# %% tags=["check"]
steer_at = lesson_52.check_steer_at(steer_at)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# The hook gets the stream, [batch, pos, d_model]. It compares `running["tokens"]` with `token`. `(tokens == token)[..., None] * vector` is the vector at that token, and 0 elsewhere.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `def push(resid, hook): return resid + (running["tokens"] == token)[..., None] * vector`, and `with model.hooks(fwd_hooks=[(hook_name(model, layer), push)]): yield`.
#
# </details>

# %% [markdown]
# Which vector, layer and dose? Fix a rule before you look. To **stop** means: `,` after a failure as before, but not after a success or a re-check. To **go on** means: `,` after a failure and a success, but not after a re-check, where nothing is left to do. Score a push by its *worst* `)`: the smallest probability of what is wanted there. The 36 pushes are scored on eight `)` of each kind from the first 100 puzzles; the two that are chosen are tested on all of the others.

# %% tags=["folded"]
# The sweep over vectors, layers and doses by the rule.
states = ends.in_order([verification.resid_at(model, part) for part in ends.parts()], dim=1)
norms = states.norm(dim=-1).median(1).values
fit = puzzle < 100
PAIRS = {"failure - re-check": (0, 2), "success - re-check": (1, 2), "failure - success": (0, 1)}


def push(layer: int, name: str, dose: float) -> Tensor:
    """A difference of two mean states, `dose` typical norms long."""
    one, other = (states[layer][fit & (kind == k)].mean(0) for k in PAIRS[name])
    return steering.at_dose(one - other, dose, norm=norms[layer].item()).to(cfg.device)


def says_comma(some: thinking.Endings, layer: int, vector: Tensor) -> Tensor:
    """The probability of `,` at each `)` with a vector added there."""
    with steer_at(model, vector, layer=layer, token=thinking.CLOSE):
        return thinking.going_on(model, some).comma


DOSES, WANTED = (-1.0, -0.5, 0.5, 1.0), {"stop": [1, 0, 0], "go on": [1, 1, 0]}
to_choose = ends.where(torch.cat([(fit & (kind == k)).nonzero()[:8, 0] for k in range(3)]))
swept = {
    (layer, name, dose): says_comma(to_choose, layer, push(layer, name, dose))
    for layer in (1, 2, 3)
    for name in PAIRS
    for dose in DOSES
}


def at_worst(comma: Tensor, goal: str, some: thinking.Endings) -> Tensor:
    """The smallest probability of what a goal wants, over all `)`."""
    return 1 - (comma - torch.tensor(WANTED[goal])[some.kind.cpu()]).abs().max()


worst = {goal: {key: at_worst(p, goal, to_choose) for key, p in swept.items()} for goal in WANTED}
PUSHES = {goal: max(scores, key=scores.get) for goal, scores in worst.items()}
to_test = ends.where(~fit)
held = {goal: says_comma(to_test, key[0], push(*key)) for goal, key in PUSHES.items()}
tested_kind = to_test.kind.cpu()
rows = [
    ("no push", "", *(f"{fork.comma[~fit][tested_kind == k].mean():.2f}" for k in range(3)), "")
]
for goal, key in PUSHES.items():
    by_kind = (f"{held[goal][tested_kind == k].mean():.2f}" for k in range(3))
    worst_one = f"{at_worst(held[goal], goal, to_test):.2f}"
    rows.append((goal, "layer {}, {}, dose {}".format(*key), *by_kind, worst_one))
plots.table(
    rows,
    columns=["goal", "push", *(f"`,` after a {name}, mean" for name in KINDS), "worst `)`"],
)

# %% [markdown]
# On the other puzzles the means are near what was asked for. The last column, by which the push was chosen, is lower.
#
# Next, let the model write under each push, on 200 new puzzles of three numbers. The control is random directions as long as the push, each text with its own. All runs share their random numbers, so compare *pairs*: the same puzzle with and without the push.

# %% tags=["folded"]
# What the model writes under each push, and its measures.
drawn = verification.some_puzzles(600, generator=random.Random(21), variable=False)
triples = [each for each in drawn if len(each.numbers) == 3]
played, measured = triples[:200], {}
MEASURES = ("solved", "checks", "cut")


def written_with(layer: int, vector: Tensor, games=played) -> list[list[str]]:
    """What the model writes while a vector, or one for each text, is added at each `)`."""
    how = {"temperature": 1.0, "generator": torch.Generator().manual_seed(1)}
    headers = [each.header for each in games]
    with steer_at(model, vector, layer=layer, token=thinking.CLOSE):
        return verification.write(model, headers, n_tokens=N_TOKENS, **how)


def measures(texts: list[list[str]]) -> dict[str, Tensor]:
    """Each measure of each text."""
    pairs = zip(played, texts, strict=False)
    found = [thinking.measure(*pair, n_tokens=N_TOKENS) for pair in pairs]
    return {name: torch.tensor([float(getattr(x, name)) for x in found]) for name in MEASURES}


unpushed_texts = written_with(1, torch.zeros(cfg.d_model, device=cfg.device))
measured["no push"] = measures(unpushed_texts)
for goal, key in PUSHES.items():
    vector, draws = push(*key), torch.Generator().manual_seed(7)
    random_ones = steering.random_directions(len(played), vector, generator=draws)[:, None]
    measured[goal] = measures(written_with(key[0], vector))
    measured[f"random, as long as '{goal}'"] = measures(written_with(key[0], random_ones))
unpushed = measured["no push"]["solved"]
paired = {name: (values["solved"] - unpushed).tolist() for name, values in measured.items()}
rows = []
for name, differences in paired.items():
    changed = [each != 0 for each in differences]
    found = measured[name]
    rows.append([name, f"{found['checks'].mean():.2f}", f"{found['solved'].sum():.0f}"])
    pairs_ = ["{:+.3f} to {:+.3f}".format(*stats.bootstrap(differences)), sum(changed)]
    pairs_.append(f"{100 * success_rate_ci(changed).ci_high:.1f}%")
    rows[-1] += ["", "", ""] if name == "no push" else pairs_
COLUMNS = ["push", "second looks a text", f"solved, of {len(played)}"]
COLUMNS += ["difference a puzzle, bootstrap 95%", "outcomes changed", "at most (exact 95%)"]
plots.table(rows, columns=COLUMNS)

# %% [markdown]
# *Solved* means that the first accepted try is legal and hits the target. The last two columns count puzzles whose outcome changed, either way, and bound their share.
#
# The push to **stop** takes away most second looks, and random directions of its length do not. The push to **go on** brings more of them.
#
# **Could the score have risen?** Hardly. An unpushed model already goes on after every failure, and it solves **192** of 200 puzzles. A push can add second looks, and these do not change the answer. So at most 8 puzzles can be gained.

# %% tags=["numbers"]
assert PUSHES == {"stop": (1, "success - re-check", -0.5), "go on": (2, "failure - success", 1.0)}
free = measured["no push"]
assert measured["stop"]["checks"].mean() < 0.4 * free["checks"].mean()
assert measured["random, as long as 'stop'"]["checks"].mean() > 0.8 * free["checks"].mean()
assert measured["go on"]["checks"].mean() > 1.3 * free["checks"].mean()
claim("solved without a push", free["solved"].sum(), text=192, within=5)

# %% [markdown]
# ### Exercise 3 · audit: what does it cost? (4 minutes, medium)
#
# %% [markdown]
# Which of these statements does the table allow? Give a set of letters, such as `{"a", "d"}`.
#
# - **a** Pushed to stop, the true difference is 0: the interval includes 0.
# - **b** Pushed to stop, the outcome changes on fewer than 10 in a hundred puzzles like these (95%).
# - **c** Pushed to go on, it solves fewer puzzles like these than without a push.
# - **d** Those are lost through the *direction* of the push to go on, and not through its length.

# %% tags=["answer:no_harm"]
### BEGIN SOLUTION
no_harm = {"b", "c"}
### END SOLUTION

# %% tags=["check"]
no_harm = lesson_52.check_no_harm(no_harm)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# "No significant difference" and "no difference" are two statements. Which column limits how many outcomes may change?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Which intervals leave out 0? And what does a random direction of the same length do?
#
# </details>

# %% [markdown]
# So state "no harm" with its limit: under the push to stop, a few changed outcomes in a hundred are not excluded. There was little to lose, since this model hardly ever accepts a wrong try that a second look could catch.
#
# Pushed to go on, it solves fewer puzzles: the interval leaves out 0. (At three other seeds the interval of 200 puzzles ends at `-0.005`, `-0.010` and `0.000`.) Random directions of that length lose as many or more. So nothing here shows that the *direction* costs anything: its length may be enough.

# %% tags=["numbers"]
stop = [each != 0 for each in paired["stop"]]
assert success_rate_ci(stop).ci_high < 0.1 and sum(paired["go on"]) < 0
assert sum(paired["random, as long as 'go on'"]) <= sum(paired["go on"])
accepts = [one.hit for each in judged for one in each if one.accepted]
assert sum(accepts) / len(accepts) > 0.99

# %% [markdown]
# ## Going deeper: which step matters?
#
# Steering moves a whole text. Now take one written trace. A **step** is a try with its verdict. How much did *this* step matter? Thought Anchors (arXiv 2506.19143) answers by **resampling**: cut the text before a step, let the model write on many times (each such text is a **rollout**), and keep the rollouts whose step differs in meaning. **Counterfactual importance** compares the outcomes with the step and with another one in its place. The paper compares final answers over 100 rollouts.
#
# Here no sampling is needed. A puzzle of three numbers has at most 24 legal tries, so all that may come next can be listed. Fix a horizon: *solved by this step or by the next try*. For a step with try $s$,
#
# $$\text{importance}(s) = \text{solves}(s) - \frac{\sum_t p(t)\,\text{solves}(t)}{\sum_t p(t)}, \quad t \text{ over tries with another result},$$
#
# where $p(t)$ is the probability that the model writes $t$ in that place. $\text{solves}(t)$ is 1 for a hit. For a failure it is the chance that the next try hits, among legal tries.
#
# An example with three tries: the step, a failure with $p$ `0.5`, after which the next try hits with a chance of `0.2`; another failure with `0.2` and `0.4`; and a hit with `0.2`. The other tries solve with a chance of `(0.2 * 0.4 + 0.2 * 1) / 0.4 = 0.7`. So the importance is `0.2 - 0.7 = -0.5`. Against *other failures alone* it is `0.2 - 0.4 = -0.2`.
#
# ### Exercise 4 · exact importance (25 minutes, hard)
#
# Given: `probs(starts)`, the probability of every try after each start, [start, try], and `rejected(words)`, a try with a failure's verdict after it. All texts are lists of words. Compute the importance against other failures alone too.


# %% tags=["exercise:utils.cases.thinking.exact_importance"]
def exact_importance(
    probs: Callable[[list[list[str]]], Float[Tensor, "start try"]],
    tries: Sequence[list[str]],
    before: Sequence[str],
    step: Sequence[str],
    *,
    target: str,
) -> Exact:
    """How much a step changes the chance of solving by the next try: exact, over all `tries`.

    A try whose result is the target solves the puzzle. After any other try, rejected by
    `rejected`, the next try may. Divide each chance by the sum over `tries`.

    Args:
        probs: `probs(starts)` is the probability of each of `tries` after each start. The starts
            are lists of words, of any lengths.
        tries: all that may come, in words; the last word is the result.
        before: the words before the step.
        step: one of `tries`, which stood there.
        target: the result that is wanted, a word.

    Returns:
        `Exact(importance, against_failures, drawn, solves)`: two numbers, and for each try the
        probability that it comes in the step's place (as `probs` gives it, not made to sum to 1)
        and the chance that the puzzle is solved by it or by the next try.
    """
    ### BEGIN SOLUTION
    hit = torch.tensor([each[-1] == target for each in tries])
    other = torch.tensor([each[-1] != step[-1] for each in tries])
    (drawn,) = probs([list(before)])
    behind = probs([[*before, *rejected(each)] for each in tries])
    next_hits = (behind * hit).sum(1) / behind.sum(1)
    solves = torch.where(hit, 1.0, next_hits)
    kept = solves[list(tries).index(step)]

    def instead(among: Bool[Tensor, " try"]) -> Float[Tensor, ""]:
        return (drawn * solves)[among].sum() / drawn[among].sum()

    return Exact(kept - instead(other), kept - instead(other & ~hit), drawn, solves)
    ### END SOLUTION


# %% tags=["check"]
exact_importance = lesson_52.check_exact_importance(exact_importance)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# Two calls of `probs`: with `before` alone, for $p$, and with one start for each try, `[*before, *rejected(each)]`, for what comes after it. In the second, the chance of a hit is a sum over the tries that hit, divided by the sum over all.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.where(hit, 1.0, next_hits)` puts 1 where the try itself hits. Masks of True and False pick what is summed: `other`, and `other & ~hit`.
#
# </details>

# %% tags=["folded"]
# 30 traces with three to five failures, and the exact importance of each of their steps.
how = {"n_tokens": 100, "temperature": 1.0, "generator": torch.Generator().manual_seed(2)}
pool = triples[100:]
texts_of_pool = verification.write(model, [each.header for each in pool], **how)
traces = thinking.traces_with_failures(pool, texts_of_pool, at_least=3, at_most=5)[:30]


def tries_of(each: countdown.Puzzle) -> list[list[str]]:
    """All legal tries, in words."""
    return [one.words for some in countdown.tries(each.numbers).values() for one in some]


def exact_steps(each: countdown.Puzzle, text: list[str], tried: list) -> list[Exact]:
    """The exact importance of each step but the re-check."""
    every = tries_of(each)
    probs = partial(thinking.next_try_probs, model, every)
    return [
        exact_importance(
            probs, every, [*each.header, *text[:begin]], list(one.words), target=str(each.target)
        )
        for (begin, _), one in zip(thinking.steps(text), tried, strict=True)
        if not one.again
    ]


exact = [exact_steps(*trace) for trace in traces]
left_out = torch.tensor([1 - float(step.drawn.sum()) for steps in exact for step in steps])
print(
    f"{len(left_out)} steps of {len(traces)} traces; probability on what is no legal try:", end=" "
)
print(f"median {left_out.median():.3f}, most {left_out.max():.2f}")

# %% [markdown]
# A success has a positive importance and a failure a negative one by the question itself: a success counts as 1, and a failure has spent its try. So compare like with like: this failure against other failures. Does it matter whether its result is new or was found before?

# %% tags=["folded"]
# Failures with a new result, and with one that was found before.
rows, after = [], []  # (trace, kind, importance, against failures); chances after old and new
for trace, (each, _, tried) in enumerate(traces):
    seen, results = [], [words[-1] for words in tries_of(each)]
    for one, step in zip(tried, exact[trace], strict=False):
        name = "success" if one.hit else "old result" if one.words[-1] in seen else "new result"
        rows.append((trace, name, float(step.importance), float(step.against_failures)))
        miss = torch.tensor([result != str(each.target) for result in results])
        old = torch.tensor([result in seen for result in results]) & miss
        hits_now = float(step.drawn[~miss].sum() / step.drawn.sum())
        if old.any() and (miss & ~old).any():
            after.append(
                (trace, *(float(step.solves[x].mean()) - hits_now for x in (miss & ~old, old)))
            )
        seen.append(one.words[-1])


def with_ends(values, groups=None) -> Tensor:
    """A mean with the ends of its 95% interval, [3]; whole groups are drawn if given."""
    values = torch.as_tensor(values).float()
    return torch.tensor([values.mean(), *stats.bootstrap(values, groups=groups)])


def by_trace(name: str, column: int) -> Tensor:
    """The mean over one kind of step, and its interval, drawing whole traces."""
    chosen_rows = [row for row in rows if row[1] == name]
    return with_ends([row[column] for row in chosen_rows], [row[0] for row in chosen_rows])


owners, changes = [each[0] for each in after], torch.tensor([each[1:] for each in after])
gained = {
    "new result": with_ends(changes[:, 0], owners),
    "old result": with_ends(changes[:, 1], owners),
    "new - old": with_ends(changes[:, 0] - changes[:, 1], owners),
}
names = ("new result", "old result")
print("importance:", *(f"{name} {spelled(by_trace(name, 2))};" for name in ("success", *names)))
print("change of the next hit's chance, new - old:", spelled(gained["new - old"]))
panels = {
    "importance against other failures": {name: by_trace(name, 3) for name in names},
    "change of the next hit's chance": {name: gained[name] for name in names},
}
title = "Does it matter whether a failure's result is new?"
plots.intervals(panels, title=title, marks=dict.fromkeys(panels, 0))

# %% [markdown]
# The left panel compares failures that were written. The right one goes through every failure that *could* stand in each place: the chance that the next try hits, minus what it was before the step. After a new result it has risen; after an old one it is about where it was. Two readings fit: a new result rules something out, or the model counts results, since in training success came nearer with each. These numbers do not tell the two apart.
#
# And the second look, the step that this lesson began with? *Solved* is decided at the first accepted try, so the second look's importance is 0 by definition.

# %% tags=["numbers"]
assert gained["new - old"][1] > 0 and gained["new result"][1] > 0.05
assert gained["old result"].abs()[0] < 0.5 * gained["new result"][0]
assert by_trace("success", 2)[1] > 0 > by_trace("new result", 2)[2]
assert by_trace("new result", 3)[1] > 0

# %% [markdown]
# ## Going deeper: all next steps, and rollouts beside them
#
# (Needs the section before.) `thinking.next_try_probs` gave the probabilities. Build it.
#
# ### Exercise 5 · the probability of a continuation (8 minutes, medium)


# %% tags=["exercise:utils.cases.thinking.continuation_probs"]
def continuation_probs(
    model, start: Int[Tensor, " given"], continuations: Int[Tensor, "row new"]
) -> Float[Tensor, " row"]:
    """The probability that the model goes on with exactly these tokens, for each row.

    Args:
        start: the tokens that stand before, BOS included, the same for all rows.
        continuations: of each row the tokens that follow.
    """
    ### BEGIN SOLUTION
    rows = torch.cat([start.expand(len(continuations), -1), continuations], dim=1)
    with torch.no_grad():
        log_probs = model(rows)[:, len(start) - 1 : -1].log_softmax(-1)
    picked = log_probs.gather(-1, continuations[..., None])[..., 0]
    return picked.sum(-1).exp()
    ### END SOLUTION


# %% tags=["check"]
continuation_probs = lesson_52.check_continuation_probs(continuation_probs)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# `start.expand(n, -1)` repeats the start for n rows. The probability of token 5 stands in the logits at position 4.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Of the log probabilities keep the positions from `len(start) - 1` up to the last but one. `.gather(-1, continuations[..., None])` picks one entry of each row and position. A product of probabilities is the exponential of a sum of logs.
#
# </details>

# %%
each, text, tried = traces[0]
every, before = tries_of(each), [*each.header, *text[: thinking.steps(text)[1][0]]]
start = torch.tensor(countdown.ids(["<bos>", *before]), device=cfg.device)
ways = torch.tensor([countdown.ids([*words, "("]) for words in every], device=cfg.device)
yours = continuation_probs(model, start, ways).cpu()
ours = thinking.next_try_probs(model, every, [before])[0]
print(
    f"{len(every)} tries; yours and the course's differ by at most {(yours - ours).abs().max():.1e}"
)

# %% [markdown]
# The course's version gives the same numbers, and reads each start once instead of once for every try, which is why the sweep above used it. Now sample: 48 rollouts from each cut of six traces, kept if their step has another result.

# %%
N_SAMPLED, N_ROLLOUTS, STEP = 6, 48, 14  # a step of a three-number puzzle has 14 words
cuts = [
    (trace, i, [*each.header, *text[:begin]])
    for trace, (each, text, _) in enumerate(traces[:N_SAMPLED])
    for i, (begin, _) in enumerate(thinking.steps(text))
]
starts = [before for *_, before in cuts for _ in range(N_ROLLOUTS)]
how = {"temperature": 1.0, "generator": torch.Generator().manual_seed(3)}
sampled = iter(verification.write(model, starts, n_tokens=2 * STEP + 1, **how))
rollouts = {
    (trace, i): [countdown.read(traces[trace][0], next(sampled)) for _ in range(N_ROLLOUTS)]
    for trace, i, _ in cuts
}
pairs, errors = [], []
for trace, (*_, tried) in enumerate(traces[:N_SAMPLED]):
    for i, one in enumerate(tried):
        if not one.hit:
            kept = torch.tensor([countdown.solved(r[:1]) for r in rollouts[trace, i + 1]]).float()
            redrawn = [r for r in rollouts[trace, i] if r and r[0].words[-1] != one.words[-1]]
            redrawn = torch.tensor([countdown.solved(r[:2]) for r in redrawn]).float()
            pairs.append((float(exact[trace][i].importance), float(kept.mean() - redrawn.mean())))
            counts = [(float(x.sum()) + 1, len(x) + 2) for x in (kept, redrawn)]
            errors.append(sum(s / n * (1 - s / n) / n for s, n in counts) ** 0.5)
pairs, errors = torch.tensor(pairs), torch.tensor(errors)
inside = ((pairs[:, 0] - pairs[:, 1]).abs() < 2 * errors).float().mean()
between = pairs[:, 0].std()
print(f"{len(pairs)} failures; exact within two standard errors: {100 * inside:.0f}%")
print(f"standard error of a sampled value {errors.mean():.2f}; spread of exact ones {between:.2f}")

# %% [markdown]
# The two agree. But one sampled value has a standard error of about **0.09**, which is not small beside the spread of the exact values among these failures. So 48 rollouts would order few of these steps with any certainty. How many would you need?

# %% tags=["numbers"]
claim("standard error of a sampled importance", errors.mean(), text=0.09, within=0.013)
assert inside > 0.8 and (yours - ours).abs().max() < 1e-4 and between < 2.2 * errors.mean()

# %% [markdown]
# ## Going deeper: can attention tell? Receiver heads
#
# (Needs the traces of *Which step matters?*) Resampling is dear. Thought Anchors also reads attention: **receiver heads** are those whose attention from later sentences is concentrated on few earlier ones, and what these heads attend to is said to matter. In the authors' published code a sentence's score in one head is the mean attention from sentences at least four later; the *kurtosis* of these scores over the sentences, averaged over traces, ranks the heads; and 20 heads are kept. (We read this in a public copy of the code.) Our traces have few steps, so all later steps count, and three heads of 24 are kept.
#
# ### Exercise 6 · receiver heads (10 minutes, medium)


# %% tags=["exercise:utils.cases.thinking.received_by_steps"]
def received_by_steps(
    pattern: Float[Tensor, "head q k"], spans: Sequence[tuple[int, int]]
) -> tuple[Float[Tensor, "head earlier"], Float[Tensor, " head"]]:
    """How much each step is attended to by later steps, and how peaked that is, for each head.

    The attention of one step to another is the mean over all pairs of their tokens. A step's score
    is the mean of that over all steps after it; the last step has none. The kurtosis of a head's
    scores is the mean of their fourth powers, once they have mean 0 and (biased) deviation 1,
    minus 3.

    Args:
        pattern: of one text.
        spans: where each step begins, and one past where it ends, in order.

    Source: receiver heads, Thought Anchors (Bogdan et al., 2025, arXiv 2506.19143).
    """
    ### BEGIN SOLUTION
    scores = torch.zeros(len(pattern), len(spans) - 1)
    for i, (begin, end) in enumerate(spans[:-1]):
        later = [pattern[:, b:e, begin:end].mean((1, 2)) for b, e in spans[i + 1 :]]
        scores[:, i] = torch.stack(later).mean(0)
    centred = scores - scores.mean(1, keepdim=True)
    standard = centred / scores.std(1, correction=0, keepdim=True)
    return scores, standard.pow(4).mean(1) - 3
    ### END SOLUTION


# %% tags=["check"]
received_by_steps = lesson_52.check_received_by_steps(received_by_steps)

# %% [markdown] tags=["hints"]
# <details><summary>Hint 1</summary>
#
# For a pair of steps, `pattern[:, b:e, begin:end]` has the later step's tokens as queries and the earlier one's as keys. Take the mean for each head, then the mean over later steps.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Kurtosis: subtract each head's mean, divide by its deviation (`correction=0`), take fourth powers, then the mean, minus 3.
#
# </details>

# %% [markdown]
# The measure is the rank correlation with the exact importance within a trace, over all steps but the last one and over failures alone (against other failures). Heads are chosen on every second trace and tested on the others, beside all heads, random heads, and the step's *position*.

# %% tags=["folded"]
# Rank correlations of received attention, and of its controls, with the exact importance.
names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(cfg.n_layers)]
received, peaked = [], []
for each, text, _ in traces:
    tokens = torch.tensor([countdown.ids(["<bos>", *each.header, *text])], device=cfg.device)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=names)
    offset = len(each.header) + 1
    spans = [(offset + begin, offset + end) for begin, end in thinking.steps(text)]
    patterns = torch.cat([cache[name][0].float().cpu() for name in names])
    scores, kurtosis = received_by_steps(patterns, spans)
    received.append(scores)
    peaked.append(kurtosis)
choose, test = range(0, len(traces), 2), range(1, len(traces), 2)
kurtosis = torch.stack([peaked[i] for i in choose]).mean(0)
receivers = kurtosis.topk(3).indices
n_scores = [received[i].shape[1] for i in choose]
ceiling = sum(n - 5 + 1 / (n - 1) for n in n_scores) / len(n_scores)


def ranks(guess: Callable[[int], Tensor], *, failures: bool) -> Tensor:
    """The mean rank correlation over the test traces, with its interval."""
    values = []
    for i in test:
        steps = [s for s, one in enumerate(traces[i][2]) if not one.again]
        steps = [s for s in steps if s < received[i].shape[1]]
        steps = [s for s in steps if not (failures and traces[i][2][s].hit)]
        field = "against_failures" if failures else "importance"
        truth = [float(getattr(exact[i][s], field)) for s in steps]
        if len(steps) > 2:
            values.append(spearmanr(guess(i)[steps], truth).statistic)
    return with_ends([value for value in values if value == value])


generator = torch.Generator().manual_seed(0)
by_luck = [torch.randperm(len(kurtosis), generator=generator)[:3] for _ in range(8)]
OVER = {"all steps but the last": False, "failures": True}


def scored(heads: Tensor | slice) -> Callable[[int], Tensor]:
    """The mean score of some heads, as a guess."""
    return lambda i: received[i][heads].mean(0)


guesses = {"receiver heads": scored(receivers), "all heads": scored(slice(None))}
guesses["position"] = lambda i: torch.arange(received[i].shape[1])
correlations = {
    over: {name: ranks(guess, failures=only) for name, guess in guesses.items()}
    for over, only in OVER.items()
}
by_random = {
    over: torch.stack([ranks(scored(heads), failures=only)[0] for heads in by_luck])
    for over, only in OVER.items()
}
print("receiver heads:", [head_name(divmod(int(i), cfg.n_heads)) for i in receivers], end=" ")
print(f"with a kurtosis of {kurtosis[receivers].max():.2f} at most; possible: {ceiling:.2f}")
luck = (f"{x.mean():.2f}, from {x.min():.2f} to {x.max():.2f}" for x in by_random.values())
rows = [(name, *(spelled(panel[name]) for panel in correlations.values())) for name in guesses]
plots.table(
    [*rows, ("random heads, 8 draws", *luck)],
    columns=["rank correlation with the exact importance", *correlations],
)

# %% [markdown]
# Nothing here shows that the chosen heads do better than random heads or than position. Over failures their correlation is even **-0.35** (`-0.59` to `-0.06`): the interval leaves out 0 on the wrong side. But with 15 test traces, and a few failures in each, that sign is chance: at three other seeds the correlation is `-0.11`, `0.15` and `0.02`.
#
# Does this count against receiver heads? The measure is *saturated*. With $n$ scores the kurtosis cannot exceed $n - 5 + 1/(n - 1)$; averaged over the choosing traces that is `-0.58`, and the chosen heads come up to `-0.60`. The top heads are as peaked as so few steps allow, so their order says little. The measure needs long traces, as in the paper. What these numbers do show is that position and random heads belong beside every such measure.

# %% tags=["numbers"]
assert ceiling - 0.1 < kurtosis.max() < ceiling
for over, panel in correlations.items():
    assert panel["receiver heads"][1] < panel["position"][2]
    assert panel["receiver heads"][1] < by_random[over].max()
wrong = correlations["failures"]["receiver heads"]
claim("receiver heads over failures", wrong[0], text=-0.35, within=0.05)
assert wrong[2] < 0

# %% [markdown]
# ## Going deeper: is it the layer that loops?
#
# In issue 8 late layers gave loops ("Wait, hold on. Wait, hold on."), and middle layers did not, by repeated n-grams and zlib compression. Does this model do the same? Vary vector, layer and dose each on its own. `loops` gives the share of n-grams that came before in the same text, and zlib's compressed size over size, which is low where a text repeats itself. But zlib's ratio falls with length alone. So take both over the first 60 words, in texts that have as many.


# %%
def loops(words: Sequence[str], *, n: int = 3) -> tuple[float, float]:
    """The share of repeated n-grams (0 if there is none), and the compression ratio."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    whole = " ".join(words).encode()
    packed = len(zlib.compress(whole, 9)) / len(whole) if whole else 1.0
    return 1 - len(set(grams)) / max(1, len(grams)), packed


def looping(texts: Sequence[Sequence[str]], *, length: int = 60) -> Tensor:
    """The means of both over the first words of the texts that are long enough."""
    return torch.tensor([loops(words[:length]) for words in texts if len(words) >= length]).mean(0)


# %%
predict(
    "52.loops",
    "Add failure - re-check with dose 1 at each `)`. At which layers is more than half of the texts cut?",
    choices=["at none", "at layer 3 alone", "at layers 2 and 3", "at layers 1, 2 and 3"],
)

# %% tags=["folded"]
# Every vector at every layer and two doses, 40 texts each.
LAYERS, N, texts = (1, 2, 3), 40, {}
for layer in LAYERS:
    vectors = {(name, dose): push(layer, name, dose) for name in PAIRS for dose in (0.5, 1.0)}
    vectors = {key: vector.expand(N, -1) for key, vector in vectors.items()}
    draws, long = torch.Generator().manual_seed(7), push(layer, "failure - re-check", 1.0)
    vectors["random directions", 1.0] = steering.random_directions(N, long, generator=draws)
    both = written_with(
        layer, torch.cat(list(vectors.values()))[:, None], played[:N] * len(vectors)
    )
    for i, (name, dose) in enumerate(vectors):
        texts[name, dose, layer] = both[i * N : (i + 1) * N]
grid = {key: measures(each) for key, each in texts.items()}
LONG = ("failure - re-check", 1.0)
many = [layer for layer in LAYERS if grid[*LONG, layer]["cut"].mean() > 0.5]
SAID = {(): "at none", (3,): "at layer 3 alone", (2, 3): "at layers 2 and 3"}
outcome("52.loops", SAID.get(tuple(many), "at layers 1, 2 and 3"))
for key in ((*LONG, 1), ("failure - success", 1.0, 1), ("failure - success", 1.0, 3)):
    one = texts[key][int(grid[key]["cut"].argmax())]  # the first that was cut
    print(*key, "|", " ".join(one[:75]), "...\n")
looped = {key: looping(each) for key, each in texts.items()}
looped["no push"] = looping(unpushed_texts)
lengths = [len(words) for words in unpushed_texts]
by_length = spearmanr(lengths, [loops(words)[1] for words in unpushed_texts]).statistic
print(f"no push: zlib's ratio of whole texts and their length, rank correlation {by_length:.2f}")
print("of the first 60 words: 3-grams {:.2f}, zlib {:.2f}".format(*looped["no push"]))
FORM = "{:.2f} | {:.2f} | {:.2f}"
plots.table(
    [
        (name, dose)
        + tuple(
            FORM.format(grid[name, dose, layer]["cut"].mean(), *looped[name, dose, layer])
            for layer in LAYERS
        )
        for name, dose in vectors
    ],
    columns=["vector", "dose", *(f"layer {i}: cut, 3-grams, zlib" for i in LAYERS)],
)

# %% [markdown]
# Failure - re-check with dose 1 leaves most texts cut at *every* layer, with checks of checks. Their first 60 words repeat more 3-grams and compress better than 60 words without a push: this is not length. With half the dose few texts are cut at any layer, and with success - re-check few at either dose. Failure - success cuts texts at layer 1 (where verdicts and `check` are repeated without a try), and few at layer 2. At layer 3 it cuts many that repeat *less* than texts without a push: broken text. Random directions leave few texts cut. (Where few texts are cut, the measures rest on 4 to 13 texts.)
#
# So vector and dose decide, and what a layer does depends on them. A sweep of the layers with failure - re-check at one dose finds loops at all of them, and one with failure - success at the *first*. The pattern of issue 8 is not found here. (Three layers have hardly a middle, so this does not refute it for a model of 32.) Of any such sweep ask whether vector and dose, in units of the stream's length, were the same at each layer.

# %% tags=["numbers"]
cut = {key: float(values["cut"].mean()) for key, values in grid.items()}
grams, packed = looped["no push"]
assert by_length < -0.8
for layer in LAYERS:
    assert cut[*LONG, layer] > 0.5 and cut["failure - re-check", 0.5, layer] < 0.2
    assert max(cut["success - re-check", dose, layer] for dose in (0.5, 1.0)) < 0.2
    assert looped[*LONG, layer][0] > 1.25 * grams and looped[*LONG, layer][1] < 0.95 * packed
    assert cut["random directions", 1.0, layer] < 0.3
assert cut["failure - success", 1.0, 1] > 0.7 and cut["failure - success", 1.0, 2] < 0.2
assert looped["failure - success", 1.0, 1][0] > 1.25 * grams
assert cut["failure - success", 1.0, 3] > 0.4
assert looped["failure - success", 1.0, 3][0] < 0.7 * grams

# %% [markdown]
# ## Going deeper: is there a direction for going on?
#
# Which of the vectors of section 3 is "the" direction for going on? At layer 3 compare failure - re-check with what needs no data: what `,` reads from the end of the stream minus what `<eos>` reads, through the final norm's weight.

# %%
reads = (model.W_U[:, thinking.COMMA] - model.W_U[:, thinking.STOP]).detach()
reads = (reads * model.ln_final.weight.detach()).cpu()
late = push(3, "failure - re-check", 1.0).cpu()
alike = torch.cosine_similarity(late, reads, dim=0)
print(f"cosine with the unembedding's direction: {alike:.2f}")
with steer_at(model, push(*PUSHES["go on"]), layer=2, token=thinking.CLOSE):
    behind = thinking.going_on(model, to_test).check[tested_kind == SUCCESS]
print(f"pushed to go on before block 2, `check` comes after the comma: {behind.mean():.3f}")

# %% [markdown]
# The late difference of means has a cosine of **0.93** with the readout: it is the line along which these logits are read, and says little about what the model computes. The push before block 2 was made from failures, after which a *new try* comes. Still, `check` follows the comma. That fits a decision in two parts: at `)` whether to go on, and at the comma with what, where the model looks back at a text that says `this works`.

# %% tags=["numbers"]
claim("cosine with the unembedding", alike, text=0.93, within=0.03)
assert behind.min() > 0.9

# %% [markdown]
# ## Going deeper: was their rise more than chance?
#
# Issue 28 of the ARBOR project, by another author, adds a vector for reconsidering and reports a rise on MATH500 from `90.00%` to `93.75%`, while the mean length grew from 3,078 to 4,415. There was room: 10 points. How many problems were there? `90.00%` and `93.75%` are both possible with 80, 160, ... problems, but not with all 500. The part of the issue that we could read does not state the number, so 80 and its multiples are our guess.

# %%
for n in (80, 160, 400):
    wide = 1.96 * sum(p * (1 - p) / n for p in (0.9, 0.9375)) ** 0.5
    ends_ = [f"{100 * end:+.1f}" for end in (0.0375 - wide, 0.0375 + wide)]
    print(f"{n} problems: the rise in points, 95%: {ends_[0]} to {ends_[1]}")

# %% [markdown]
# With 80 or 160 problems the interval includes no rise. (It treats the two runs as separate samples; a paired one could be narrower.)
#
# ## Going deeper: a real model
#
# `survey` (in `utils/cases/survey.py`) does the first half of lesson 5.1 on any model: plain text with two solved examples, then a line such as `12 + 7 - 4 = 15 (`, half of them hits. Controls: a probe where the *target* ends, before there is a result (`before`); and probes with shuffled labels, the best layer of each. On a GPU, set `REAL` to a model from the hub that was trained to reason, such as `"deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"`.

# %%
REAL = None
real = load(REAL) if REAL else load()
few = [each for each in triples if each.target not in each.numbers][: 200 if REAL else 24]
seen = survey(real, few, draws=10)
best = {name: getattr(seen, name).max() for name in ("bracket", "result", "before")}
by_luck = seen.shuffled.max(1).values
print(f"hits above misses (AUC), {len(few)} texts; the model's own verdict {seen.verdict_auc:.2f}")
print("probes, best layer:", *(f"{name} {value:.2f};" for name, value in best.items()), end=" ")
print(f"shuffled labels {by_luck.mean():.2f}, at most {by_luck.max():.2f}")

# %% [markdown]
# SmolLM2's states at the bracket tell hits from misses better than every one of the ten shuffles, whose best layer is taken too; with 24 texts, some shuffles come near. Its own verdict is too near chance to say, with 24 texts. Do not read the probe as "it checks": in a hit the result's digits have come before, as the target, so a head that notices any repeated number would give the same probe.

# %% tags=["numbers"]
if REAL is None:
    assert best["bracket"] > by_luck.max()

# %% [markdown]
# ## What you found


# %% tags=["results"]
# Ours beside its control, and what others report.
lured, plain = (
    [stamp[f"miss, {n} numbers"][how] for n in (3, 4)]
    for how in (THIS, "said this works; no check")
)
neither, one = (
    spelled(share(left[name, "second"][0]))
    for name in ("comparing heads, and attention to `check`", "comparing heads")
)
means = {
    name: {field: spelled(with_ends(values[field])) for field in ("checks", "solved")}
    for name, values in measured.items()
}
random_stop, random_go = (means[f"random, as long as '{goal}'"] for goal in ("stop", "go on"))
by_layer, by_chance = (
    " / ".join(f"{grid[name, 1.0, layer]['cut'].mean():.2f}" for layer in LAYERS)
    for name in ("failure - re-check", "random directions")
)
solved_by = f"{random_go['solved']} random; {means['no push']['solved']} no push"
theirs = "90.00% to 93.75% on MATH500 (issue 28; sample size not known to us)"
their_loops, heads = "loops at layers 26-32, not at middle ones (issue 8)", correlations["failures"]
against = f"{spelled(heads['position'])} position"
rows = [
    (f"yes to false claims, {n} numbers", spelled(a), f"{b[0]:.2f} without `check`", "")
    for n, a, b in zip((3, 4), lured, plain, strict=True)
]
rows += [
    ("yes at true re-checks, neither route", neither, f"{one} with the word's alone", ""),
    ("second looks, stop", means["stop"]["checks"], f"{random_stop['checks']} random", ""),
    ("solved, go on", means["go on"]["solved"], solved_by, theirs),
    ("cut, failure - re-check, layers 1 / 2 / 3", by_layer, f"{by_chance} random", their_loops),
    ("next hit, new - old result", spelled(gained["new - old"]), "0: results do not matter", ""),
    ("receiver heads, failures", spelled(heads["receiver heads"]), against, ""),
]
COLUMNS = ["", "ours (three layers)", "control", "theirs, DeepSeek-R1-Distill-Llama-8B"]
plots.table(rows, columns=COLUMNS)

# %% [markdown]
# ## What this does not show
#
# - That large reasoning models re-check by rubber stamp. It shows that a re-check that is right on every text the model writes can rest on a stamp, and how to find out.
# - That going on is one direction in larger models, or that it is not.
# - How much failures teach a search that reasons about them.
#
# ## Questions to discuss
#
# 1. Which training traces would make the re-check a real one? How few false claims among them would do?
# 2. Two routes to one yes, each enough. How would you find a third that you do not suspect?
# 3. What model, and what measure, would leave room for thinking longer to pay?
# 4. A failure's importance is negative largely by the way the question is asked. What would you rather ask?
#
# ## Common mistakes
#
# - Calling a verdict a check because it is always right, on texts where it could not be wrong.
# - Concluding from single ablations that neither of two parts is used.
# - Judging a push by its effect at one kind of position, and not on what is written.
# - Changing vector, layer and dose at once, and naming the layer as the cause.
# - Reporting longer texts as more thought, and an unchanged score as proof of no harm.
# - Scoring guesses of importance without position beside them.
#
# ## Where this breaks
#
# One model, one seed, three layers, one game, and a coin where a reasoning model has reasons. Ablating with zeros takes the model off its usual states. The exact importance looks one try ahead, and leaves out tries that are not legal.
#
# ## Further reading
#
# - Bogdan, Macar, Nanda and Conmy (2025), *Thought Anchors: Which LLM Reasoning Steps Matter?*, arXiv 2506.19143
# - Lee et al. (2025), *The Geometry of Self-Verification in a Task-Specific Reasoning Model*, arXiv 2504.14379
# - Venhoff et al. (2025), *Understanding Reasoning in Thinking Language Models via Steering Vectors*, arXiv 2506.18167
# - Geva et al. (2023), *Dissecting Recall of Factual Associations in Auto-Regressive Language Models*, arXiv 2304.14767
#
# **Map:** [all lessons](../notebooks/README.md) | **Previous:** [5.1 · How a reasoning model checks itself](51_self_verification.ipynb) | **Next:** [5.3 · Pointers: binding and belief](53_pointers.ipynb) | On Colab: [map](https://github.com/heads-to-features/heads-to-features#the-course-map), [previous](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/51_self_verification.ipynb), [next](https://colab.research.google.com/github/heads-to-features/heads-to-features/blob/main/notebooks/53_pointers.ipynb)

# %% tags=["progress"]
# What you have done, in this lesson and in the course.
from utils.checks.progress import show_progress

show_progress("52")
