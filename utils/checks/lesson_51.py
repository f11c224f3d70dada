"""Checks of lesson 5.1, how a reasoning model checks itself."""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match
from utils.checks.inputs import described

N_LAYERS, N_HEADS = 3, 4  # of the small model


def _tiny() -> TransformerBridge:
    """Three layers of four heads and a gated MLP, weights large enough to matter."""
    shape = {"n_layers": N_LAYERS, "n_heads": N_HEADS, "d_head": 5, "d_model": 12, "d_mlp": 9}
    shape |= {"d_vocab": 11, "n_ctx": 8, "gated_mlp": True, "seed": 0}
    kinds = {"act_fn": "silu", "normalization_type": "RMS", "positional_embedding_type": "standard"}
    model = TransformerBridge.boot_native(shape | kinds, device="cpu")
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.6 * torch.randn(weight.shape, generator=random))
    return model.eval()


def _equal(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-4, rtol=1e-4)


def _recognise(got, right: Tensor, mistakes: Iterable[tuple[str, Tensor]]) -> None:
    """Raises `Wrong` for a result that is not right, with the message of its mistake if known."""
    if isinstance(got, Tensor) and not got.is_complex() and not _equal(got, right):
        for why, each in mistakes:
            expect(not _equal(got, each), why)


@contextmanager
def _hint(part: str, hint: str) -> Iterator[None]:
    """Adds a hint to what is said of an error with `part` in it."""
    try:
        yield
    except Wrong as wrong:
        raise (Wrong(f"{wrong} {hint}") if part in str(wrong) else wrong) from None


# ---- Contexts -----------------------------------------------------------------------------------


def _expect_context(made) -> None:
    """Raises `Wrong` for what `with` cannot open, and says what `@contextmanager` needs."""
    inside = getattr(made, "gen", None) if hasattr(made, "__enter__") else made  # undecorated
    expect(
        not isinstance(inside, list | tuple),
        "You return the hooks, and nobody puts them on the model: open `with model.hooks(fwd_hooks="
        "...):`, and `yield` inside it.",
    )
    if inside is made:
        expect(
            not inspect.isgenerator(made),
            "That is a generator: `@contextmanager`, above the `def`, makes a context of it.",
        )
        raise Wrong(f"Your function should give a context for `with`, not {described(made)}.")
    if not hasattr(made, "gen") or inspect.isgenerator(inside):
        return
    expect(
        not hasattr(inside, "__enter__"),
        "`@contextmanager` makes a context of a function that *yields*, and yours returns a "
        "context. Open it instead, `with model.hooks(...):`, and `yield` inside.",
    )
    expect(inside is not None, "Your function never yields: do it inside `with model.hooks(...):`.")
    raise Wrong(f"Under `@contextmanager` a function yields once; yours gives {described(inside)}.")


def _raised(error: Exception) -> str:
    first = str(error).splitlines()[0].rstrip(".") if str(error) else "no message"
    return f"{type(error).__name__}: {first}"


@contextmanager
def _within(make: Callable) -> Iterator[None]:
    """Opens the learner's context; what fails on the way in or out becomes a sentence."""
    context = make()
    _expect_context(context)
    try:
        context.__enter__()
    except NotImplementedError:
        raise Wrong("`raise NotImplementedError` still stands in your function.") from None
    except Exception as error:
        raise Wrong(
            f"Your context cannot be opened, {_raised(error)}. A head is (layer, number), and its "
            "hook `blocks.LAYER.attn.hook_z`."
        ) from error
    try:
        yield
    except BaseException as error:
        expect(
            not context.__exit__(type(error), error, error.__traceback__),
            "An error in the body of the `with` is lost: let it go on (`finally`, no `except`).",
        )
        raise
    try:
        context.__exit__(None, None, None)
    except Exception as error:
        expect(
            "didn't stop" not in str(error),
            "Your function yields more than once, so that only the first layer's hook is at work: "
            "collect all hooks first, then one `with model.hooks(...):` and one `yield`.",
        )
        raise Wrong(f"Your context cannot be closed, {_raised(error)}.") from error


class _Stop(Exception):
    """What goes wrong in the body of a `with`."""


def _on_it(model) -> list[list[int]]:
    """The hooks that are on a model's hook points, however they were put there."""
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    points = [module for module in model.modules() if isinstance(module, HookPoint)]
    return [list(getattr(point, kind)) for point in points for kind in kinds]


# ---- Ablating heads -----------------------------------------------------------------------------

Run = tuple[Tensor, dict[str, Tensor]]  # hook_z of all layers, and all else
READ = ("attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_pattern", "mlp.hook_post")


def _z(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_z"


def _seen(model, tokens: Tensor, hooks: Sequence = ()) -> Run:
    """hook_z of all layers, and all else that a run holds, after these hooks."""
    found: dict[str, Tensor] = {}

    def keep(name):
        return name, lambda x, hook: found.update({name: x.detach().clone()})

    layers = range(N_LAYERS)
    others = [f"blocks.{layer}.{part}" for layer in layers for part in READ]
    reading = [keep(name) for name in [*others, *map(_z, layers)]]
    with model.hooks(fwd_hooks=[*hooks, *reading]):
        found["the logits"] = model(tokens).detach()
    return torch.stack([found.pop(_z(layer)) for layer in layers]), found


def _ablated(model, tokens: Tensor, mask: Tensor, fill: Callable = torch.zeros_like) -> Run:
    """A run where `mask`, [layer, text, pos, head, d_head or 1], of hook_z is zero or filled."""

    def hook(layer):
        return _z(layer), lambda z, hook: torch.where(mask[layer], fill(z), z)

    return _seen(model, tokens, [hook(layer) for layer in range(N_LAYERS) if mask[layer].any()])


def _mask(heads: Iterable[tuple[int, int]], where: Tensor) -> Tensor:
    """Where these heads are ablated; `where` is [text, pos]."""
    mask = torch.zeros(N_LAYERS, *where.shape, N_HEADS, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, ..., head] |= where
    return mask[..., None]


def _other_heads(heads: Sequence[tuple[int, int]]) -> list[tuple[str, list[tuple[int, int]]]]:
    """(message, the heads that this mistake ablates)."""
    of: dict[int, list[int]] = {}
    for layer, head in heads:
        of.setdefault(layer, []).append(head)
    late = (
        "Each layer's hook zeroes the heads of another layer: a hook that is made in a loop sees "
        "the loop's variable as it is when the hook *runs*. Look the heads up by `hook.layer()`, "
        "or make hooks in a function."
    )
    model = [(layer, head) for layer in range(N_LAYERS) for head in range(N_HEADS)]
    lasts = ([heads[-1][1]], list(of.values())[-1], of[max(of)])
    one = "Of each layer only one head is zeroed: is the first overwritten by the next?"
    first = "Of each layer only the first head is zeroed: a layer may have several."
    its_own = "All heads are looked for in the first one's layer: each has its own."
    whole = "All heads of these layers are zeroed: index the axis of heads."
    crossed = "Every number of `heads` is zeroed in every layer of `heads`: they are pairs."
    return [
        *((late, [(layer, head) for layer in of for head in last]) for last in lasts),
        (one, [(layer, some[-1]) for layer, some in of.items()]),
        (first, [(layer, some[0]) for layer, some in of.items()]),
        ("Only the last head of the list is zeroed.", heads[-1:]),
        ("Only the first head of the list is zeroed.", heads[:1]),
        ("Only the last layer's hook is at work.", [e for e in heads if e[0] == list(of)[-1]]),
        (its_own, [(heads[0][0], head) for _, head in heads]),
        (whole, [each for each in model if each[0] in of]),
        (crossed, [(layer, head) for layer in of for _, head in heads]),
        ("The *other* heads of the model are zeroed.", [e for e in model if e not in heads]),
    ]


def _other_places(where: Tensor, at: tuple[Tensor, Tensor]) -> list[tuple[str, Tensor]]:
    """(message, where this mistake ablates, [text, pos])."""

    def placed(*index) -> Tensor:
        new = torch.zeros_like(where)
        new[index] = True
        return new

    (text, pos), (n, length) = at, where.shape
    crossed = "Each text got the positions of all: text and position go in *pairs*, in one index."
    everywhere = "These positions are zeroed in all texts: `at[0]` says in which."
    until = "All positions up to the place are zeroed: only the place itself."
    since = "All positions from the place on are zeroed: only the place itself."
    number = "You took the place's number for its text: a text, `at[0]`, may have several places."
    exchanged = "Text and position are exchanged: `z` is [text, pos, head, d_head]."
    found = [
        ("`at` is ignored: the heads are zeroed everywhere.", torch.ones_like(where)),
        (crossed, placed(text[:, None], pos[None])),
        (everywhere, placed(slice(None), pos)),
        ("The whole texts are zeroed: `at[1]` says where in them.", placed(text)),
        ("One position too early: the places are in `at`.", placed(text, pos - 1)),
        ("One position too late: the places are in `at`.", placed(text, (pos + 1) % length)),
        (until, where.flip(1).cumsum(1).flip(1) > 0),
        (since, where.cumsum(1) > 0),
        ("Only the first place is zeroed.", placed(text[0], pos[0])),
        ("Only the last place is zeroed.", placed(text[-1], pos[-1])),
        ("All *other* places are zeroed.", ~where),
        (number, placed(torch.arange(len(pos)) % n, pos)),
    ]
    return found + [(exchanged, placed(pos, text))] if bool((pos < n).all()) else found


def _z_mistakes(model, tokens, heads, where, at) -> Iterator[tuple[str, Run]]:
    """(message, a run as this mistake makes it)."""
    mask, shape = _mask(heads, where), (N_LAYERS, *where.shape, N_HEADS, 5)
    nothing = (
        "Nothing has changed within your context. Does the hook *return* the new `z`? Does the "
        "`yield` stand inside `with model.hooks(...):`?"
    )
    if at is not None:
        nothing = (
            "With `at` nothing has changed within your context. Indexing twice, as in "
            "`z[text, pos][:, head]`, makes a copy, and a change of it is lost."
        )
    yield nothing, _seen(model, tokens)
    means = {"mean ablation": (0, 1), "the mean over positions": 1, "the mean over texts": 0}
    for why, axes in means.items():
        fill = partial(torch.mean, dim=axes, keepdim=True)
        yield f"That is {why}: put zeros there.", _ablated(model, tokens, mask, fill)
    masks = [(why, _mask(some, where)) for why, some in _other_heads(heads)]
    for axis, why in ((4, "entries of the heads' outputs"), (2, "positions")):
        index = torch.zeros(shape, dtype=torch.bool)
        for layer, head in heads:
            if head < shape[axis]:
                index[layer].select(axis - 1, head)[...] = True
        why = f"The heads' numbers are taken for those of {why}: `z` is [text, pos, head, d_head]."
        masks.append((why, index & (where[:, :, None, None] if axis == 4 else True)))
    if at is not None:
        masks += [(why, _mask(heads, some)) for why, some in _other_places(where, at)]
        pairs = torch.zeros_like(mask)
        for layer in {layer for layer, _ in heads}:
            own = [head for one, head in heads if one == layer]
            if len(own) in (1, len(at[0])):
                pairs[layer, at[0], at[1], torch.tensor(own)] = True
        why = "Places and heads went in pairs: each head is zeroed at each place, one at a time."
        masks.append((why, pairs))
    for why, each in masks:
        yield why, _ablated(model, tokens, each)

    def zeroed(layer: int, part: str | None, head: int):
        def zero(x, hook):
            x = x.clone()
            x[:, :, head if part else slice(None)][where] = 0
            return x

        return f"blocks.{layer}.{part or 'hook_attn_out'}", zero

    written = "What the whole layer writes, `hook_attn_out`, is zeroed"
    for why, part in (
        (written, None),
        (f"{written} at entries that have the heads' numbers", "hook_attn_out"),
        ("The heads' queries, `hook_q`, are zeroed", "attn.hook_q"),
        ("The heads' keys, `hook_k`, are zeroed", "attn.hook_k"),
    ):
        hooks = [zeroed(layer, part, head) for layer, head in heads]
        yield f"{why}: zero these heads in `attn.hook_z`.", _seen(model, tokens, hooks)


def _run(model, tokens: Tensor) -> Run:
    """A run within the learner's context; what their hook raises becomes a sentence."""
    try:
        return _seen(model, tokens)
    except Exception as error:
        expect(
            "hook_in" not in str(error),
            "`hook.name` may be another name of the same hook (here one that ends in `o.hook_in`), "
            "which your heads are not kept under: `hook.layer()` is the layer's number.",
        )
        expect(
            "broadcast" not in str(error) and "shape mismatch" not in str(error),
            "Heads and places would pair up in one index: go through the heads one at a time.",
        )
        raise Wrong(
            f"Within your context a run of the model raises {_raised(error)}. In the hook `z` is "
            "[text, pos, head, d_head]."
        ) from error


@exercise("utils.cases.verification.without_heads")
def check_without_heads(without_heads) -> str:
    """A small model, heads of several layers; what it holds within the context, and after it."""
    model, random = _tiny(), torch.Generator().manual_seed(1)
    several = [(2, 0), (0, 2), (2, 3), (0, 0)]
    for heads, (n, length), at in (
        (several, (5, 6), None),
        ([(2, 3), (2, 0), (1, 1)], (3, 6), ([2, 2], [2, 1])),
        (several, (5, 6), ([0, 2, 2], [3, 1, 2])),
        ([(1, 1), (0, 0)], (5, 6), ([1, 3, 1, 0], [4, 2, 1, 3])),
        ([(2, 2)], (1, 7), ([0, 0], [3, 1])),
        (((1, 0), (1, 2)), (2, 3), ([1, 0], [1, 2])),
    ):
        tokens = torch.randint(11, (n, length), generator=random)
        places = None if at is None else (torch.tensor(at[0]), torch.tensor(at[1]))
        where = torch.full((n, length), at is None)
        if places is not None:
            where[places] = True
        given, before = list(heads), _on_it(model)
        options = {} if places is None else {"at": (places[0].clone(), places[1].clone())}
        right, raw = _ablated(model, tokens, _mask(given, where)), []

        def keep(z, hook, raw=raw):
            raw.append((z, z.clone()))

        keeping = [(_z(layer), keep) for layer in range(N_LAYERS)]
        theirs = _within(lambda: without_heads(model, heads, **options))  # noqa: B023
        with torch.no_grad(), model.hooks(fwd_hooks=keeping), theirs:
            got, again = _run(model, tokens), _run(model, tokens)
        if not _equal(got[0], right[0]):
            model.reset_hooks()  # what a wrong context may have left
            expect(
                not torch.equal(got[0] == 0, _mask(given, where).expand_as(right[0])),
                "The right entries of `hook_z` are zero, but something else is changed too.",
            )
            for why, run in _z_mistakes(model, tokens, given, where, places):
                expect(not _equal(got[0], run[0]), why)
        what = f"Within the context of {given}{'' if at is None else f' at {at}'}, `hook_z`"
        match(got[0], right[0], what=f"{what}, [layer, text, pos, head, d_head],", mistakes={})
        for name, value in right[1].items():
            expect(
                _equal(got[1][name], value),
                f"`hook_z` is right, but something else is changed too, {name}.",
            )
        expect(
            all(torch.equal(z, copy) for z, copy in raw),
            "Your hook changes `z` itself, which others may keep: change and return `z.clone()`.",
        )
        expect(_equal(again[0], right[0]), "In a second run the heads are not zeroed any more.")
        expect(
            list(heads) == given and all(map(torch.equal, options.get("at", ()), places or ())),
            "Your function changes `heads` or `at`, which others still need.",
        )
        expect(
            _on_it(model) == before,
            "After the `with` your hooks are still on the model, and change every later run.",
        )
    return _check_leaving(without_heads, model, tokens)


def _check_leaving(without_heads, model, tokens: Tensor) -> str:
    """The context is left by an error, and stands within another of its kind."""
    before, first, second = _on_it(model), [(0, 1), (2, 0)], [(0, 2), (1, 1)]
    gradients = torch.is_grad_enabled()
    with suppress(_Stop), _within(lambda: without_heads(model, first)):
        raise _Stop
    switched = torch.is_grad_enabled() != gradients
    torch.set_grad_enabled(gradients)
    expect(not switched, "Your context switches gradients on or off, and leaves it so.")
    expect(
        _on_it(model) == before,
        "If the body of the `with` raises an error, your hooks stay: `finally` takes them off.",
    )
    where = torch.ones(tokens.shape, dtype=torch.bool)
    alone, both = (
        _ablated(model, tokens, _mask(heads, where))[0] for heads in (first, [*first, *second])
    )
    with torch.no_grad(), _within(lambda: without_heads(model, first)):
        with _within(lambda: without_heads(model, second)):
            inside = _run(model, tokens)[0]
        outside = _run(model, tokens)[0]
    expect(
        _equal(inside, both),
        "One context within another: the heads of both should be zero. Does yours take others off?",
    )
    expect(
        _equal(outside, alone),
        "One context within another: with the inner one, the outer one's hooks went away. "
        "`model.reset_hooks()` takes all hooks off, `with model.hooks(...):` its own alone.",
    )
    return "These heads write nothing there, and the hooks go away again."


# ---- Whose state may go where -------------------------------------------------------------------

KINDS = [(hit, matched) for hit in (True, False) for matched in (True, False)]


def _donors(target: Tensor, result: Tensor, wanted: Tensor) -> tuple[Tensor, list]:
    """Who may, for all `KINDS`, [kind, position, donor]; and what each mistake makes of it."""
    hit, matched = torch.tensor(KINDS).T[:, :, None, None]
    column = wanted[:, None]
    is_matched, of_result = target == column, result == column
    is_hit = (target == result).expand_as(is_matched)
    paired = target == wanted[torch.arange(len(target)) % len(wanted)]
    anywhere = is_matched.any(0).expand_as(is_matched)
    hits, matches = is_hit == hit, is_matched == matched  # [kind, position, donor]
    right, no_hits, no_match = hits & matches, is_hit & hit, is_matched & matched
    by_target = "*matched* asks for the donor's *target*: you compared its result with `wanted`."
    by_result = "A hit is a donor whose target is its own result: you compared that with `wanted`."
    exchanged = "Matched donors are taken for others, and others for matched ones."
    misses = "Misses are never matched in yours: they are too where their target is wanted."
    free = "nothing is asked about the target: it shall *not* be wanted."
    equal = "`x & hit` is False wherever `hit` is False: compare, `x == hit`"
    pairs = "Donors and positions are compared in pairs: take every pair, `wanted[:, None]`."
    every = "A donor counts as matched if its target is wanted *anywhere*: each row has its own."
    row = "That is one row for all positions: [position, donor]."
    return right, [
        ("The axis of positions is lost where there is one.", right.squeeze(1)),
        ("Positions and donors are exchanged: [position, donor].", right.mT),
        (by_target, hits & (of_result == matched)),
        (by_result, (of_result == hit) & matches),
        ("`hit` is ignored: donors are asked for both things.", matches.expand_as(right)),
        ("`matched` is ignored: donors are asked for both things.", hits.expand_as(right)),
        ("Both are ignored: those are matched hits.", (is_hit & is_matched).expand_as(right)),
        ("Hits are taken for misses, and misses for hits.", ~hits & matches),
        (exchanged, hits & ~matches),
        ("A donor is matched by its target alone.", hits & ((is_matched | of_result) == matched)),
        ("`hit` and `matched` are exchanged.", (is_hit == matched) & (is_matched == hit)),
        ("A donor needs *both*: yours have one of the two.", hits | matches),
        ("That is the opposite: True is a donor that may.", ~right),
        ("Only hits are asked whether they are matched: misses are too.", hits & (matches | ~hit)),
        (misses, hits & ((is_hit & is_matched) == matched)),
        (f"With `matched=False` {free}", hits & (is_matched | ~matched)),
        ("With `hit=False` nothing is asked: donors shall be misses.", (is_hit | ~hit) & matches),
        ("With False, nothing is asked.", (is_hit | ~hit) & (is_matched | ~matched)),
        (f"{equal}.", no_hits & matches),
        (f"{equal}, and `matched` likewise.", no_hits & no_match),
        (pairs, (hits & (paired == matched))[:, 0]),
        (every, hits & (anywhere == matched)),
        (row, right.any(1)),
        (row, (hits & (anywhere == matched))[:, 0]),
        ("That is one answer for each position: [position, donor].", right.any(2)),
        ("Every donor may: is something always True?", torch.ones_like(right)),
    ]


@exercise("utils.cases.verification.allowed_donors")
def check_allowed_donors(allowed_donors) -> str:
    """Donors of all kinds; some misses are matched, some have the wanted number as a result."""
    for numbers in (
        # hits; matched misses; misses whose result is wanted; the rest
        ([19, 7, 30, 19, 7, 4, 30, 8, 30], [19, 7, 30, 5, 30, 19, 19, 9, 2], [19, 7, 44, 30, 19]),
        ([12, 40, 12, 6, 40], [12, 6, 40, 6, 12], [40, 12, 6, 40, 12]),
        ([5, 9, 5, 3], [5, 5, 3, 3], [5]),
        ([8], [1], [8, 1, 2]),
    ):
        given = [torch.tensor(each) for each in numbers]
        n, m, gots = len(numbers[0]), len(numbers[2]), []
        for hit, matched in KINDS:
            hint = (
                f"There are {n} donors and {m} positions, and each donor has to be compared with "
                "each position: `wanted[:, None]` makes a column of it."
            )
            with _hint("size of tensor", hint):
                got = allowed_donors(*(each.clone() for each in given), hit=hit, matched=matched)
            expect(
                not isinstance(got, list | tuple | dict | set),
                f"Return one tensor of True and False, [position, donor], not {described(got)}.",
            )
            expect(
                getattr(got, "dtype", None) != torch.int64 or got.shape == (m, n),
                "Those are numbers of positions and donors: give True or False for each pair.",
            )
            gots.append(got)
        right, mistakes = _donors(*given)
        if len({getattr(got, "shape", None) for got in gots}) == 1 and isinstance(gots[0], Tensor):
            _recognise(torch.stack(gots), right, mistakes)
        for (hit, matched), got, each in zip(KINDS, gots, right, strict=True):
            what = f"Which of {n} donor{'s' * (n > 1)} may give to {m} position{'s' * (m > 1)}"
            match(got, each, what=f"{what}, with `hit={hit}, matched={matched}`,", mistakes={})
            expect(
                got.dtype == torch.bool,
                f"Your tensor is of type {got.dtype}: give True and False (`torch.bool`), with "
                "which one can choose.",
            )
    return "Four kinds of donors for every position."


# ---- The investigation --------------------------------------------------------------------------


def _is_pair(head) -> bool:
    whole = isinstance(head, list | tuple) and all(type(each) is int and each >= 0 for each in head)
    return whole and len(head) == 2


@investigation(
    "disabled", course={"heads": [(1, 3), (1, 5), (1, 4)], "gap left": 0.02, "sums right": 1.0}
)
def check_disabled(answer) -> str:
    """What `Lab.hand_in` returned. It may measure a gap somewhat below 0 or above 1."""
    expect(
        isinstance(answer, Mapping) and {"heads", "gap left", "sums right"} <= set(answer),
        "Give what `lab.hand_in(heads)` returns: it measures your heads on other puzzles.",
    )
    heads, gap, sums = (answer[name] for name in ("heads", "gap left", "sums right"))
    expect(
        isinstance(heads, list | tuple) and all(map(_is_pair, heads)),
        "`heads` should be a list of pairs of whole numbers, as `lab.hand_in(heads)` returns it.",
    )
    for name, number, low, high in (("gap left", gap, -0.5, 1.5), ("sums right", sums, 0, 1)):
        expect(
            type(number) in (int, float) and low <= number <= high,
            f"`{name}` cannot be {str(number):.20}: give what `lab.hand_in(heads)` returned.",
        )
    n = len(set(map(tuple, heads)))
    expect(n <= 3, f"That is {n} heads: at most three are allowed. Which ones can stay?")
    expect(n > 0, "No head is out: give one to three.")
    expect(sums >= 0.95, f"Only {sums:.2f} of sums are right: the model cannot add without them.")
    expect(
        abs(gap) <= 0.1,
        f"{gap:.2f} of the gap is left: others stand in for your heads. Which heads do the same?",
    )
    return f"{n} heads: {gap:.2f} of the gap is left, and {sums:.2f} of the sums are right."


# ---- Heads by what they copy --------------------------------------------------------------------


def _copied(W_V: Tensor, W_O: Tensor, share: Callable | None = None) -> Tensor:
    """Each head's OV circuit, [layer, head, d_model, d_model]; `share`: head -> key-value head."""
    n_heads, group = W_O.shape[1], W_O.shape[1] // W_V.shape[1]
    share = share or (lambda head: head // group)
    return torch.stack([W_V[:, share(head)] @ W_O[:, head] for head in range(n_heads)], 1)


def _drives(weights: Mapping[str, Tensor], neurons: list) -> tuple[Tensor, list]:
    """The right drive, and what each mistake makes of it."""
    W_V, W_O = weights["W_V"], weights["W_O"]
    gate, up = (
        torch.stack([weights[name][layer, :, i] for layer, i in neurons])
        for name in ("W_gate", "W_in")
    )
    circuits, numbers = _copied(W_V, W_O), [i for _, i in neurons]
    d, order = circuits.diagonal(dim1=-2, dim2=-1), torch.tensor([layer for layer, _ in neurons])

    def shared(share: Callable[[int], int]) -> Tensor:
        return _copied(W_V, W_O, share).diagonal(dim1=-2, dim2=-1)

    def each(d=d, act: Callable = F.silu, *, gate=gate, up=up) -> Tensor:
        return act(d @ gate.mT) * (d @ up.mT)

    def mean(*given, **parts) -> Tensor:
        return each(*given, **parts).mean(-1)

    right, after = mean(), order >= torch.arange(3)[:, None, None]
    whole = torch.einsum("nd,lhde,ne->lhn", gate, circuits, up)
    same_layer = {  # those of every layer at these numbers, for the heads of that layer
        side: weights[name][:, :, numbers].mT for side, name in (("gate", "W_gate"), ("up", "W_in"))
    }
    late = "Heads leave out neurons of earlier layers: each head counts all of `neurons`."
    whole_circuit = "That is the whole circuit, `gate @ W_V @ W_O @ up`: only its diagonal counts."
    tiled = "The values go to the wrong heads: 2 go to 4 as 0, 0, 1, 1 (`repeat_interleave`)."
    by_gate, by_up = d @ gate.T, d @ up.T
    return right, [
        ("That is the sum: take the mean over the neurons.", each().sum(-1)),
        ("Gate and up are exchanged: silu is on the gate's side.", mean(gate=up, up=gate)),
        ("silu is missing: it lets through little of what is below 0.", (by_gate * by_up).mean(-1)),
        ("That is relu, and the gate has silu, x times sigmoid(x).", mean(act=F.relu)),
        ("That is sigmoid alone: silu is x times sigmoid(x).", mean(act=torch.sigmoid)),
        ("That is gelu, and the gate has silu.", mean(act=F.gelu)),
        ("silu is on the product: it is on `gate . d` alone.", F.silu(by_gate * by_up).mean(-1)),
        ("silu is on both: `up . d` stays as it is.", (F.silu(by_gate) * F.silu(by_up)).mean(-1)),
        ("`up . d` is missing.", F.silu(by_gate).mean(-1)),
        ("silu of the gate is missing: that is `up . d` alone.", by_up.mean(-1)),
        ("You added the two: multiply them.", (F.silu(by_gate) + by_up).mean(-1)),
        ("The signs are lost: a head may close what another opens.", right.abs()),
        ("The signs are lost before the mean: neurons may cancel.", each().abs().mean(-1)),
        ("That is the root mean square: take the mean.", each().square().mean(-1).sqrt()),
        ("That is the largest: take the mean over the neurons.", each().amax(-1)),
        (
            "You took the mean of all gates, and of all ups, first: the mean comes last.",
            F.silu(d @ gate.mean(0)) * (d @ up.mean(0)),
        ),
        ("That is one number for each neuron: take the mean over them.", each()),
        ("That is one number for each layer: [layer, head].", right.mean(1)),
        ("Layers and heads are exchanged: [layer, head].", right.T),
        ("The copying direction is made length 1: take it as it is.", mean(F.normalize(d, dim=-1))),
        (whole_circuit, whole.mean(-1)),
        ("You took sums of the circuit's rows: d is its diagonal.", mean(circuits.sum(-1))),
        ("You took sums of the circuit's columns: d is its diagonal.", mean(circuits.sum(-2))),
        ("The signs of the diagonal are lost.", mean(d.abs())),
        (late, (each() * after).sum(-1) / after.sum(-1).clamp(min=1)),
        ("The neuron's layer is ignored: (2, 5) is neuron 5 of layer 2.", mean(**same_layer)),
        (tiled, mean(shared(lambda head: head % W_V.shape[1]))),
        ("All heads have the first values: groups share them.", mean(shared(lambda head: 0))),
    ]


@exercise("utils.cases.verification.signed_drive", keeps_gradient=False)
def check_signed_drive(signed_drive) -> str:
    """Heads that share their values by twos, by threes, and not; neurons of several layers."""
    for seed, (n_heads, n_kv, neurons) in enumerate(
        (
            (4, 2, [(2, 5), (0, 3), (2, 1), (1, 6), (0, 7)]),
            (6, 2, [(1, 2), (1, 5), (2, 2)]),
            (3, 3, [(1, 4)]),
        )
    ):
        random = torch.Generator().manual_seed(seed)
        shapes = {"W_V": (n_kv, 7, 5), "W_O": (n_heads, 5, 7), "W_out": (9, 7)}
        shapes |= {"W_gate": (7, 9), "W_in": (7, 9)}
        weights = {name: torch.randn(3, *of, generator=random) for name, of in shapes.items()}
        right, mistakes = _drives(weights, neurons)
        cfg = {"n_layers": 3, "n_heads": n_heads, "n_key_value_heads": n_kv}
        model = SimpleNamespace(
            cfg=SimpleNamespace(**cfg, d_model=7, d_head=5, d_mlp=9),
            **{name: each.clone().requires_grad_() for name, each in weights.items()},
        )
        hint = f"Here {n_heads} heads share the values of {n_kv}: see `W_V` and `W_O`."
        with _hint("raised", hint):
            got = signed_drive(model, list(neurons))
        _recognise(got, right, mistakes)
        what = f"The drive of {n_heads} heads with values of {n_kv}, for {len(neurons)} neurons,"
        match(got, right, what=what.replace(" 1 neurons", " 1 neuron"), mistakes={})
    return "What a head copies, as these neurons take it."


# ---- Reward for answers alone -------------------------------------------------------------------


def _losses(logits, tokens, start, reward) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """The right loss, from inputs in float64, and what each mistake makes of it."""
    n, length = tokens.shape
    at, real = torch.arange(length), tokens > 0
    predicted = real & (at > 0)
    since, log_p = at >= start[:, None], logits.log_softmax(-1)
    centred, spread = reward - reward.mean(1, keepdim=True), reward.std(1, keepdim=True)
    variance, of_all, all_spread = spread.square(), reward - reward.mean(), reward.std()

    def of(table: Tensor, back: int = 1) -> Tensor:
        """[text, pos]: each token's entry in the table `back` positions before it."""
        return table.roll(back, 1).gather(-1, tokens[..., None])[..., 0]

    advantage, said, written = centred / (spread + 1e-4), of(log_p), since & real

    def loss(advantage=advantage, said=said, where=written, over=None) -> Tensor:
        over = where.sum() if over is None else over
        return -(advantage.reshape(-1, 1) * said * where).sum() / over

    each_text = (advantage.reshape(-1) * (said * written).sum(1) / written.sum(1)).mean()
    lasts, nexts = real.roll(-1, 1) & (at < length - 1), real.roll(1, 1) & (at > 0)
    own = "baseline: each puzzle has its own, the mean over its samples."
    less = "The baseline is missing: subtract the mean of the puzzle's rewards."
    of_texts = "Mean and standard deviation are those of all texts: each puzzle has its own."
    sizes = "The standard deviation is that of all texts: each puzzle has its own."
    small = "The standard deviation stands without its 1e-4, or with another number added."
    by_n = "That standard deviation divides by n (`correction=0`): `torch.std` divides by n - 1."
    under = "Add 1e-4 to the standard deviation, and not under its root."
    other = "The advantages went to other texts: all samples of the first puzzle come first."
    crossed = "Mean and standard deviation are taken over puzzles: `reward` is [puzzle, sample]."
    cross_entropy = "The rewards play no part: that is the cross-entropy of what was written."
    shift = "Logits at p are for the token at p + 1: yours are matched with another one."
    positions = "The log-softmax is over positions: it belongs over the vocabulary, the last axis."
    both = "Header and padding count in yours: the text begins at `start`, and padding is 0."
    too_late = "One token too late: your mask is that of the tokens one position earlier."
    too_early = "One token too early: your mask is that of the tokens one position later."
    by_text = "That is the mean of each text, then over texts: take one mean over all tokens."
    by_all = "That is the mean over all positions: divide by the number of tokens written."
    edge = "`start` is where the first token that the model wrote stands."
    by_itself, before = of(log_p, 0), at < length - 1
    others = (n * length, n * (length - 1), predicted.sum(), since.sum())
    return loss(), [
        ("The sign: the loss falls where rewarded texts become likelier.", -loss()),
        (less, loss(reward)),
        (less, loss(reward / (spread + 1e-4))),
        (f"All texts share a {own}", loss(of_all)),
        (f"All texts share a {own}", loss(of_all / (spread + 1e-4))),
        (of_texts, loss(of_all / (all_spread + 1e-4))),
        (sizes, loss(centred / (all_spread + 1e-4))),
        (crossed, loss((reward - reward.mean(0)) / (reward.std(0) + 1e-4))),
        ("The advantage is not divided by the puzzle's standard deviation.", loss(centred)),
        (by_n, loss(centred / (reward.std(1, keepdim=True, correction=0) + 1e-4))),
        ("You divided by the variance: take its root.", loss(centred / (variance + 1e-4))),
        *(
            (small, loss((centred / (spread + e)).nan_to_num()))
            for e in (0, 1e-8, 1e-6, 1e-5, 1e-3)
        ),
        (under, loss(centred / (variance + 1e-4).sqrt())),
        (cross_entropy, loss(torch.ones(n))),
        (other, loss(advantage.T)),
        ("Those are probabilities: take their natural log.", loss(said=said.exp())),
        ("That is the log to base 2: take the natural log.", loss(said=said / math.log(2))),
        ("Those are the logits themselves: take their log-softmax.", loss(said=of(logits))),
        (positions, loss(said=of(logits.log_softmax(1)))),
        (positions, loss(said=of(F.pad(logits[:, :-1].log_softmax(1), (0, 0, 0, 1))))),
        (shift, loss(said=by_itself)),
        (shift, loss(said=by_itself, where=written & before)),
        (shift, loss(said=of(log_p, -1), where=written & before)),
        (f"One token too early: {edge}", loss(where=predicted & (at >= start[:, None] - 1))),
        (f"One token too late: {edge}", loss(where=predicted & (at > start[:, None]))),
        ("The header counts in yours: the text begins at `start`.", loss(where=predicted)),
        ("Padding counts in yours: leave out the tokens that are 0.", loss(where=since)),
        (both, loss(where=(at > 0).expand(n, -1))),
        ("The first padding after a text counts in yours.", loss(where=since & nexts)),
        ("The last token of each text is missing in yours.", loss(where=written & lasts)),
        (too_late, loss(where=written.roll(1, 1) & (at > 0))),
        (too_early, loss(where=written.roll(-1, 1) & (at > 0) & before)),
        ("All texts begin at the first one's start in yours.", loss(where=real & (at >= start[0]))),
        ("That is the sum: take the mean over all tokens written.", loss(over=1)),
        (by_text, -each_text),
        ("You divided by the number of texts: divide by that of tokens written.", loss(over=n)),
        *((by_all, loss(over=over)) for over in others),
    ]


@exercise("utils.cases.verification.policy_gradient_loss")
def check_policy_gradient_loss(policy_gradient_loss) -> str:
    """Texts of other lengths and starts; rewards all equal, almost equal, and not 0 or 1."""
    for seed, (starts, lengths, rewards) in enumerate(
        (
            ([2, 4, 3, 1, 5, 2], [9, 7, 4, 6, 8, 9], [[1, 0, 0.5], [0.25, -1, 1]]),
            (
                [3, 3, 2, 1, 2, 4, 2, 3, 3, 4, 1, 2],
                [5, 7, 3, 6, 7, 5, 4, 7, 4, 6, 3, 7],
                [[0, 1, 0], [1, 1, 1], [0, 0.001, 0], [0.5, 2, 1]],
            ),
        )
    ):
        random = torch.Generator().manual_seed(seed)
        n, length = len(starts), max(lengths)
        tokens = torch.randint(1, 10, (n, length), generator=random)
        tokens[torch.arange(length) >= torch.tensor(lengths)[:, None]] = 0
        # Not yet normalised, so that logits are no log-probabilities.
        logits = 2 * torch.randn(n, length, 10, generator=random) - 1
        start, reward = torch.tensor(starts), torch.tensor(rewards)
        exact, asks = logits.double().requires_grad_(), logits.clone().requires_grad_()
        right, mistakes = _losses(exact, tokens, start, reward.double())
        puzzles, samples = reward.shape
        hint = f"Here are {n} texts, {puzzles} puzzles, {samples} samples: is `keepdim` missing?"
        with _hint("size of tensor", hint):
            got = policy_gradient_loss(asks, tokens.clone(), start.clone(), reward.clone())
        expect(
            not (seed and isinstance(got, Tensor) and bool(got.isnan().any())),
            "The loss is NaN where rewards are equal: is their deviation, 0, without its 1e-4?",
        )
        _recognise(got, right, mistakes)
        match(got, right.detach(), what=f"The loss of {n} texts", mistakes={})
        slopes = (torch.autograd.grad(*each)[0] for each in ((got, asks), (right, exact)))
        expect(
            _equal(*slopes),
            "The loss is right, and its gradient is not: is a part of the log-probability cut off?",
        )
    return "Texts that did better than their puzzle's others get likelier."
