"""Checks of lesson 5.1, how a reasoning model checks itself."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match
from utils.checks.inputs import described

N_LAYERS, N_HEADS, D_MLP = 3, 4, 9  # of the small model


def _tiny(seed: int) -> TransformerBridge:
    """Three layers of four heads and a gated MLP, weights large enough to matter."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": N_LAYERS,
            "n_heads": N_HEADS,
            "d_head": 5,
            "d_model": 12,
            "d_mlp": D_MLP,
            "d_vocab": 11,
            "n_ctx": 8,
            "gated_mlp": True,
            "act_fn": "silu",
            "normalization_type": "RMS",
            "positional_embedding_type": "standard",
            "seed": 0,
        },
        device="cpu",
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.6 * torch.randn(weight.shape, generator=random))
    return model.eval()


def _equal(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-4, rtol=1e-4)


# ---- Contexts -----------------------------------------------------------------------------------

A_LIST = (
    "You return the hooks, and nobody puts them on the model: open `with model.hooks(fwd_hooks="
    "...):`, and `yield` inside it."
)
ITS_OWN = (
    "`@contextmanager` makes a context of a function that *yields*, and yours returns a context. "
    "Open it instead, `with model.hooks(...):`, and `yield` inside."
)


def _expect_context(made) -> None:
    """Raises `Wrong` for what `with` cannot open, and says what `@contextmanager` needs."""
    expect(not isinstance(made, list | tuple), A_LIST)
    expect(
        not inspect.isgenerator(made),
        "That is a generator: `@contextmanager`, above the `def`, makes a context of it.",
    )
    expect(
        hasattr(made, "__enter__") and hasattr(made, "__exit__"),
        f"Your function should give a context for `with`, not {described(made)}.",
    )
    inside = getattr(made, "gen", made)  # what the decorator was given
    if inside is made or inspect.isgenerator(inside):
        return
    expect(not isinstance(inside, list | tuple), A_LIST)
    expect(not hasattr(inside, "__enter__"), ITS_OWN)
    expect(
        inside is not None,
        "Your function never yields: `yield` once, inside `with model.hooks(...):`. There the body "
        "of the caller's `with` runs.",
    )
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
        if context.__exit__(type(error), error, error.__traceback__):
            raise Wrong(
                "An error in the body of the `with` is lost: let it go on (`finally`, and no "
                "`except`)."
            ) from error
        raise
    try:
        context.__exit__(None, None, None)
    except RuntimeError as error:
        expect(
            "didn't stop" not in str(error),
            "Your function yields more than once, so that only the first layer's hook is at work: "
            "collect all hooks first, then one `with model.hooks(...):` and one `yield`.",
        )
        raise Wrong(f"Your context cannot be closed, {_raised(error)}.") from error
    except Exception as error:
        raise Wrong(f"Your context cannot be closed, {_raised(error)}.") from error


class _Stop(Exception):
    """What goes wrong in the body of a `with`."""


def _on_it(model) -> list[list[int]]:
    """The hooks that are on a model's hook points, however they were put there."""
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    points = [module for module in model.modules() if isinstance(module, HookPoint)]
    return [list(getattr(point, kind)) for point in points for kind in kinds]


# ---- Neurons along a direction ------------------------------------------------------------------


def _top(scores: Tensor, n: int) -> list[int]:
    return scores.topk(n).indices.tolist()


def _along_mistakes(
    weights: Mapping[str, Tensor], directions: Tensor, n: int, sign: int
) -> dict[str, dict[int, list[int]]]:
    """Message -> layer -> the neurons that this mistake chooses."""
    W_out, n_layers = weights["W_out"], len(directions)
    half, all_layers = range(n_layers // 2, n_layers), range(n_layers)

    def cos(values: Tensor, direction: Tensor) -> Tensor:
        return F.cosine_similarity(values, direction, dim=-1)

    def by(scores: Callable[[int], Tensor], layers=half, n=n) -> dict[int, list[int]]:
        return {layer: _top(scores(layer), n) for layer in layers}

    def along(which: Callable[[int], int], layers=half) -> dict[int, list[int]]:
        return by(lambda layer: sign * cos(W_out[layer], directions[which(layer)]), layers)

    def own(layer: int) -> Tensor:
        return sign * cos(W_out[layer], directions[layer])

    flat = torch.stack([own(layer) for layer in half]).flatten()
    best = _top(flat, n * len(half))
    mistakes = {
        "Those with the largest dot products: a long out vector wins by its length. Take the "
        "*cosine*.": by(lambda i: sign * (W_out[i] @ directions[i])),
        "You divided by the square of the out vector's length: divide by the length.": by(
            lambda i: sign * (W_out[i] @ directions[i]) / W_out[i].square().sum(-1)
        ),
        "All layers use the last layer's direction: each has its own.": along(lambda i: -1),
        "All layers use the first direction: each has its own.": along(lambda i: 0),
        "All layers use the direction where the upper half begins: each has its own.": along(
            lambda i: half[0]
        ),
        "The layers use the directions of the *lower* half: `directions[layer]` is a layer's "
        "own.": along(lambda i: i - half[0]),
        "Each layer uses the direction of the layer below it: `directions[layer]` is its own.": (
            along(lambda i: i - 1)
        ),
        "Each layer uses the direction of the layer above it: `directions[layer]` is its own.": (
            along(lambda i: (i + 1) % n_layers)
        ),
        "All layers use the mean direction: each has its own.": by(
            lambda i: sign * cos(W_out[i], directions.mean(0))
        ),
        "`sign` is ignored: at -1 take those that write most *against* the direction.": by(
            lambda i: sign * own(i)
        ),
        "The wrong end: sign 1 takes the highest cosines, -1 the lowest.": by(lambda i: -own(i)),
        "Those are the largest cosines by their size: the sign of the cosine counts.": by(
            lambda i: own(i).abs()
        ),
        "The *smallest* cosines by their size: those neurons write neither along nor against.": by(
            lambda i: -own(i).abs()
        ),
        "You took the longest out vectors: take the cosine with the direction.": by(
            lambda i: W_out[i].norm(dim=-1)
        ),
        "You took `W_in`, what a neuron reads: what it writes is in `W_out`.": by(
            lambda i: sign * cos(weights["W_in"][i].T, directions[i])
        ),
        "You took `W_gate`, what a neuron reads: what it writes is in `W_out`.": by(
            lambda i: sign * cos(weights["W_gate"][i].T, directions[i])
        ),
        "Those are the highest over all layers of the half together: `n` of *each* layer.": {
            layer: [i % W_out.shape[1] for i in best if i // W_out.shape[1] == layer - half[0]]
            for layer in half
        },
        "Neurons are counted over all layers: count them within their layer.": {
            layer: [i + layer * W_out.shape[1] for i in _top(own(layer), n)] for layer in half
        },
        "That is every neuron: take `n` of each layer.": by(own, n=W_out.shape[1]),
        "One neuron too many.": by(own, n=n + 1),
    }
    if n > 1:
        mistakes["One neuron too few."] = by(own, n=n - 1)
        mistakes["That is the best neuron alone: take `n` of each layer."] = by(own, n=1)
    up, lower = half[0], range(n_layers // 2)
    rule = f"with {n_layers} layers the upper half begins at layer {up}, `{n_layers} // 2`"
    return mistakes | {
        f"Those are all layers: {rule}.": by(own, all_layers),
        f"That is the lower half: {rule}.": by(own, lower),
        f"The middle layer is missing: {rule}.": by(own, range(up + 1, n_layers)),
        f"One layer too many: {rule}.": by(own, range(max(up - 1, 0), n_layers)),
        f"The last layer is missing: {rule}.": by(own, range(up, n_layers - 1)),
        f"Layers are counted from 0 in the whole model, not in the half: {rule}.": {
            layer - up: _top(own(layer), n) for layer in half
        },
    }


def _chosen(got, n_layers: int) -> dict[int, list[int]]:
    """Layer -> neurons of what the learner returned, or `Wrong`."""
    expect(
        isinstance(got, Mapping),
        f"Return a dictionary, layer -> numbers of its neurons, not {described(got)}.",
    )
    expect(
        all(isinstance(layer, int) and not isinstance(layer, bool) for layer in got),
        "The keys are layers, whole numbers (`.item()` makes one of a tensor).",
    )
    for neurons in got.values():
        expect(
            isinstance(neurons, Tensor),
            "The neurons of a layer should be a tensor of whole numbers, such as the `.indices` of "
            f"`topk`, not {described(neurons)}.",
        )
        expect(
            neurons.ndim == 1,
            f"The neurons of a layer should be a tensor with one axis, and it has shape "
            f"{tuple(neurons.shape)}.",
        )
        expect(
            not (neurons.is_floating_point() or neurons.is_complex())
            and neurons.dtype != torch.bool,
            f"The tensor of a layer is of type {neurons.dtype}: give the *numbers* of its neurons, "
            "not their cosines or a mask (`.indices`).",
        )
    return {layer: neurons.tolist() for layer, neurons in got.items()}


@exercise("utils.cases.verification.neurons_along")
def check_neurons_along(neurons_along) -> str:
    """Models of 5, 4 and 3 layers; long out vectors, and other choices by other rules."""
    for seed, (n_layers, n, sign) in enumerate(((5, 3, 1), (4, 4, -1), (3, 1, 1), (5, 2, -1))):
        random = torch.Generator().manual_seed(seed)
        for _ in range(500):  # until each mistake chooses others
            weights = {
                name: torch.randn(n_layers, *shape, generator=random)
                for name, shape in (("W_out", (14, 6)), ("W_in", (6, 14)), ("W_gate", (6, 14)))
            }
            weights["W_out"] *= torch.rand(n_layers, 14, 1, generator=random) * 3 + 0.2
            directions = 2 * torch.randn(n_layers, 6, generator=random)
            cosines = F.cosine_similarity(weights["W_out"], directions[:, None], dim=-1)
            half = range(n_layers // 2, n_layers)
            right = {layer: sorted(_top(sign * cosines[layer], n)) for layer in half}
            mistakes = _along_mistakes(weights, directions, n, sign)
            wrong = [
                {layer: sorted(some) for layer, some in each.items()}
                for why, each in mistakes.items()
                if not (sign == 1 and why.startswith("`sign`"))
            ]
            ranked = (sign * cosines).sort(-1, descending=True).values
            clear = (ranked[:, n - 1] - ranked[:, n]).min() > 0.02
            if clear and right not in wrong:
                break
        else:
            raise AssertionError("the mistakes of this fixture cannot be told apart")
        model = SimpleNamespace(
            cfg=SimpleNamespace(n_layers=n_layers, d_mlp=14, d_model=6),
            **{name: each.clone().requires_grad_() for name, each in weights.items()},
        )
        options = {} if sign == 1 else {"sign": sign}
        got = _chosen(neurons_along(model, directions.clone(), n, **options), n_layers)
        for layer, neurons in got.items():
            expect(
                len(set(neurons)) == len(neurons),
                f"Layer {layer} has a neuron twice: {n} *different* ones.",
            )
        found = {layer: sorted(neurons) for layer, neurons in got.items()}
        if found == right:
            continue
        for why, each in mistakes.items():
            if found == {layer: sorted(some) for layer, some in each.items()}:
                raise Wrong(why)
        expect(
            set(found) == set(right),
            f"With {n_layers} layers the keys should be {sorted(right)}, the upper half, and are "
            f"{sorted(found)}.",
        )
        layer = next(layer for layer in right if found[layer] != right[layer])
        expect(
            len(found[layer]) == n,
            f"Layer {layer} should have {n} neurons, and has {len(found[layer])}.",
        )
        raise Wrong(
            f"Of {n_layers} layers, with `sign={sign}`, layer {layer} should have the neurons "
            f"{right[layer]}, in any order, and has {found[layer]}. Print the cosines of that "
            "layer's out vectors with its direction."
        )
    return "Of each layer the neurons that write along its own direction."


# ---- Ablating heads -----------------------------------------------------------------------------

Run = tuple[Tensor, dict[str, Tensor]]  # hook_z of all layers, and all else


def _z(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_z"


READ = ("attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_pattern", "mlp.hook_post")


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


def _ablated(model, tokens: Tensor, mask: Tensor, fill: Callable | None = None):
    """A run where `mask`, [layer, text, pos, head, d_head or 1], of hook_z is zero or filled."""

    def hook(layer):
        def put(z, hook):
            new = torch.zeros_like(z) if fill is None else fill(z).expand_as(z)
            return torch.where(mask[layer].expand_as(z), new, z)

        return _z(layer), put

    return _seen(model, tokens, [hook(layer) for layer in range(N_LAYERS) if mask[layer].any()])


def _mask(heads: Sequence[tuple[int, int]], where: Tensor) -> Tensor:
    """Where these heads are ablated; `where` is [text, pos]."""
    mask = torch.zeros(N_LAYERS, *where.shape, N_HEADS, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, ..., head] |= where
    return mask[..., None]


def _other_heads(heads: Sequence[tuple[int, int]]) -> dict[str, list[tuple[int, int]]]:
    """Message -> the heads that this mistake ablates."""
    layers = list(dict.fromkeys(layer for layer, _ in heads))
    numbers = sorted({head for _, head in heads})
    of = {layer: [head for at, head in heads if at == layer] for layer in layers}
    late = (
        "Each layer's hook zeroes the heads of another layer: a hook that is made in a loop sees "
        "the loop's variable as it is when the hook *runs*. Look the heads up by `hook.layer()`, "
        "or make hooks in a function."
    )
    late_heads = {
        late + " " * i: [(layer, head) for layer in layers for head in last]
        for i, last in enumerate(([heads[-1][1]], of[layers[-1]], of[max(layers)]))
    }
    return {
        **late_heads,
        "Of each layer only one head is zeroed: a layer may have several. Is the first overwritten "
        "by the next?": [(layer, some[-1]) for layer, some in of.items()],
        "Of each layer only the first head is zeroed: a layer may have several.": [
            (layer, some[0]) for layer, some in of.items()
        ],
        "Only the last head of the list is zeroed.": [heads[-1]],
        "Only the first head of the list is zeroed.": [heads[0]],
        "Only the last layer's hook is at work.": [(layers[-1], head) for head in of[layers[-1]]],
        "Only the first layer's hook is at work.": [(layers[0], head) for head in of[layers[0]]],
        "All heads are looked for in the first one's layer: each has its own.": [
            (layers[0], head) for _, head in heads
        ],
        "All heads are looked for in the last one's layer: each has its own.": [
            (heads[-1][0], head) for _, head in heads
        ],
        "All heads of these layers are zeroed: index the axis of heads.": [
            (layer, head) for layer in layers for head in range(N_HEADS)
        ],
        "Every number of `heads` is zeroed in every layer of `heads`: (2, 1) is a head of layer 2 "
        "alone.": [(layer, head) for layer in layers for head in numbers],
        "Every number of `heads` is zeroed in every layer of the model: (2, 1) is a head of layer "
        "2 alone.": [(layer, head) for layer in range(N_LAYERS) for head in numbers],
        "The *other* heads of these layers are zeroed.": [
            (layer, head) for layer in layers for head in range(N_HEADS) if head not in of[layer]
        ],
        "The *other* heads of the model are zeroed.": [
            (layer, head)
            for layer in range(N_LAYERS)
            for head in range(N_HEADS)
            if (layer, head) not in heads
        ],
    }


def _other_places(where: Tensor, at: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
    """Message -> where this mistake ablates, [text, pos]."""

    def placed(*index) -> Tensor:
        new = torch.zeros_like(where)
        new[index] = True
        return new

    if at is None:
        rest = slice(None)
        return {
            "Only the last position is zeroed: without `at`, all are.": placed(rest, -1),
            "Position 0 is left as it is: without `at`, all are zeroed.": placed(
                rest, slice(1, None)
            ),
            "Only the first text is zeroed: without `at`, all are.": placed(0),
        }
    text, pos = at
    columns = torch.arange(where.shape[1])
    until, since = (
        torch.stack(
            [
                torch.stack(
                    [op(columns, p) for t, p in zip(text, pos, strict=True) if t == row]
                ).any(0)
                if row in text
                else torch.zeros_like(where[0])
                for row in range(len(where))
            ]
        )
        for op in (torch.le, torch.ge)
    )
    found = {
        "`at` is ignored: the heads are zeroed everywhere.": torch.ones_like(where),
        "Each text got the positions of all: text and position go in *pairs*, so put both tensors "
        "into one index.": placed(text[:, None], pos[None]),
        "These positions are zeroed in all texts: `at[0]` says in which.": placed(slice(None), pos),
        "The whole texts are zeroed: `at[1]` says where in them.": placed(text),
        "One position too early: the places are those in `at`.": placed(text, pos - 1),
        "One position too late: the places are those in `at`.": placed(
            text, (pos + 1) % where.shape[1]
        ),
        "All positions up to the place are zeroed: only the place itself.": until,
        "All positions from the place on are zeroed: only the place itself.": since,
        "Only the first place is zeroed.": placed(text[0], pos[0]),
        "Only the last place is zeroed.": placed(text[-1], pos[-1]),
        "All *other* places are zeroed.": ~where,
        "You took the place's number for its text: `at[0]` has the text, and one text may have "
        "several places.": placed(torch.arange(len(pos)) % len(where), pos),
    }
    if bool((pos < len(where)).all()):
        found["Text and position are exchanged: `z` is [text, pos, head, d_head]."] = placed(
            pos, text
        )
    return found


def _z_mistakes(model, tokens, heads, where, at) -> dict[str, Callable[[], Run]]:
    """Message -> a run as this mistake makes it."""
    mask, shape = _mask(heads, where), (N_LAYERS, *where.shape, N_HEADS, 5)
    masks = {why: _mask(some, where) for why, some in _other_heads(heads).items()}
    masks |= {why: _mask(heads, some) for why, some in _other_places(where, at).items()}
    for axis, why in (
        (4, "entries of the heads' outputs"),
        (2, "positions"),
        (1, "texts"),
    ):
        index = torch.zeros(shape, dtype=torch.bool)
        for layer, head in heads:
            if head < shape[axis]:
                index[layer].select(axis - 1, head)[...] = True
        there = where[None, :, :, None, None] if axis == 4 else True
        masks[
            f"The heads' numbers are taken for those of {why}: `z` is [text, pos, head, d_head]."
        ] = index & there
    if at is not None:
        pairs = torch.zeros_like(mask)
        for layer in {layer for layer, _ in heads}:
            own = [head for one, head in heads if one == layer]
            if len(own) in (1, len(at[0])):
                for i, (t, p) in enumerate(zip(*at, strict=True)):
                    pairs[layer, t, p, own[i % len(own)]] = True
        masks[
            "Places and heads went in pairs, the first place with the first head: each head is "
            "zeroed at each place. Go through the heads one at a time."
        ] = pairs
    nothing = (
        "Nothing has changed within your context. Does the hook *return* the new `z`? Does the "
        "`yield` stand inside `with model.hooks(...):`?"
    )
    if at is not None:
        nothing = (
            "With `at` nothing has changed within your context. Indexing twice, as in `z[text, pos]"
            "[:, head]`, makes a copy, and a change of it is lost."
        )
    found = {nothing: partial(_seen, model, tokens)}
    for why, fill in {
        "That is mean ablation: put zeros there.": lambda z: z.mean((0, 1), keepdim=True),
        "That is the mean over positions: put zeros there.": lambda z: z.mean(1, keepdim=True),
        "That is the mean over texts: put zeros there.": lambda z: z.mean(0, keepdim=True),
        "That is the mean over heads: put zeros there.": lambda z: z.mean(2, keepdim=True),
        "Ones are there: put zeros.": torch.ones_like,
    }.items():
        found[why] = partial(_ablated, model, tokens, mask, fill)
    found |= {why: partial(_ablated, model, tokens, each) for why, each in masks.items()}
    return found | _elsewhere(model, tokens, heads, where)


def _elsewhere(model, tokens, heads, where) -> dict[str, Callable[[], Run]]:
    """Message -> a run in which another hook is zeroed."""

    def zeroed(part: str, *, whole: bool = False) -> Run:
        def hook(layer, head):
            def zero(x, hook):
                mask = torch.zeros(x.shape, dtype=torch.bool)
                there = where if x.ndim == 3 else where[..., None]
                mask[:, :, slice(None) if whole else head] = there[..., None] if whole else there
                return x.masked_fill(mask, 0.0)

            return f"blocks.{layer}.{part}", zero

        return _seen(model, tokens, [hook(*each) for each in heads])

    written = "What the whole layer writes, `hook_attn_out`, is zeroed"
    return {
        f"{written}: zero these heads in `attn.hook_z`.": partial(
            zeroed, "hook_attn_out", whole=True
        ),
        f"{written} at entries that have the heads' numbers: zero the heads in `attn.hook_z`.": (
            partial(zeroed, "hook_attn_out")
        ),
        "The heads' values, `hook_v`, are zeroed: a head writes what comes out of its attention, "
        "`hook_z`.": partial(zeroed, "attn.hook_v"),
        "The heads' queries, `hook_q`, are zeroed: zero `hook_z`.": partial(zeroed, "attn.hook_q"),
        "The heads' keys, `hook_k`, are zeroed: zero `hook_z`.": partial(zeroed, "attn.hook_k"),
    }


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
            "Several heads and several places do not go into one index, where they would pair up: "
            "go through the heads one at a time.",
        )
        raise Wrong(
            f"Within your context a run of the model raises {_raised(error)}. In the hook `z` is "
            "[text, pos, head, d_head]."
        ) from error


def _expect_same_run(got: Run, right: Run, message: str) -> None:
    expect(_equal(got[0], right[0]), message)


@exercise("utils.cases.verification.without_heads")
def check_without_heads(without_heads) -> str:
    """A small model, heads of several layers; what it holds within the context, and after it."""
    model, random = _tiny(0), torch.Generator().manual_seed(1)
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
        where = torch.ones(n, length, dtype=torch.bool)
        if places is not None:
            where = torch.zeros_like(where)
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
            mask = _mask(given, where).expand_as(right[0])
            expect(
                not torch.equal(got[0] == 0, mask),
                "The right entries of `hook_z` are zero, but something else is changed too: zero "
                "`hook_z` alone.",
            )
            for why, how in _z_mistakes(model, tokens, given, where, places).items():
                expect(not _equal(got[0], how()[0]), why)
        match(
            got[0],
            right[0],
            what=f"Within the context of {given}{'' if at is None else f' at {at}'}, `hook_z`, "
            "[layer, text, pos, head, d_head],",
            mistakes={},
        )
        for name, value in right[1].items():
            expect(
                _equal(got[1][name], value),
                f"`hook_z` is right, but something else is changed too ({name}): zero `hook_z` "
                "alone.",
            )
        expect(
            all(torch.equal(z, copy) for z, copy in raw),
            "Your hook changes `z` itself, which another hook may have kept: change a copy, "
            "`z.clone()`, and return that.",
        )
        _expect_same_run(
            again, right, "In a second run within the same context the heads are not zeroed."
        )
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
    try:
        with _within(lambda: without_heads(model, first)):
            raise _Stop
    except _Stop:
        pass
    switched = torch.is_grad_enabled() != gradients
    torch.set_grad_enabled(gradients)
    expect(
        not switched,
        "Your context switches gradients on or off for all that follows: leave them alone.",
    )
    expect(
        _on_it(model) == before,
        "If the body of the `with` raises an error, your hooks stay on the model. `with model.hooks"
        "(...):` takes them off in any case, and so does `finally`.",
    )
    where = torch.ones(tokens.shape, dtype=torch.bool)
    alone, both = (
        _ablated(model, tokens, _mask(heads, where)) for heads in (first, [*first, *second])
    )
    with torch.no_grad(), _within(lambda: without_heads(model, first)):
        with _within(lambda: without_heads(model, second)):
            inside = _run(model, tokens)
        outside = _run(model, tokens)
    _expect_same_run(
        inside,
        both,
        "One context within another: the heads of both should be zero, and are not. Does yours "
        "take other hooks off?",
    )
    _expect_same_run(
        outside,
        alone,
        "One context within another: when the inner one is left, the outer one's hooks must stay. "
        "`model.reset_hooks()` takes all hooks off; take off your own alone, as `with model.hooks"
        "(...):` does.",
    )
    return "These heads write nothing there, and the hooks go away again."


# ---- Whose state may go where -------------------------------------------------------------------

KINDS = [(hit, matched) for hit in (True, False) for matched in (True, False)]


def _donor_mistakes(
    target: Tensor, result: Tensor, wanted: Tensor
) -> dict[str, Callable[[bool, bool], Tensor]]:
    """Message -> what this mistake makes of `hit` and `matched`."""
    column, n = wanted[:, None], len(target)
    is_matched, of_result = target == column, result == column
    is_hit = (target == result).expand_as(is_matched)
    yes, no = torch.ones_like(is_matched), torch.zeros_like(is_matched)
    paired = target == wanted[torch.arange(n) % len(wanted)]
    anywhere = is_matched.any(0).expand_as(is_matched)

    def right(hit: bool, matched: bool) -> Tensor:
        return (is_hit == hit) & (is_matched == matched)

    lost = {
        "The axis of positions is lost where there is one: [position, donor].": lambda h, m: right(
            h, m
        ).squeeze(0)
    }
    return (lost if len(wanted) == 1 else {}) | {
        "Positions and donors are exchanged: [position, donor].": lambda h, m: right(h, m).T,
        "*matched* asks for the donor's *target*, and you compared its result with what is "
        "wanted.": lambda h, m: (is_hit == h) & (of_result == m),
        "A hit is a donor whose target is its own result. You compared its result with what is "
        "wanted.": lambda h, m: (of_result == h) & (is_matched == m),
        "`hit` is ignored: donors are asked for both things.": lambda h, m: is_matched == m,
        "`matched` is ignored: donors are asked for both things.": lambda h, m: is_hit == h,
        "Both are ignored: the donors are matched hits, whatever is asked for.": lambda h, m: (
            is_hit & is_matched
        ),
        "Hits are taken for misses, and misses for hits.": lambda h, m: right(not h, m),
        "Matched donors are taken for others, and others for matched ones.": lambda h, m: right(
            h, not m
        ),
        "Hits and misses are exchanged, and so are matched donors and others.": lambda h, m: right(
            not h, not m
        ),
        "A donor is matched by its target alone, whatever its result is.": lambda h, m: (
            (is_hit == h) & ((is_matched | of_result) == m)
        ),
        "`hit` and `matched` are exchanged.": lambda h, m: right(m, h),
        "A donor needs *both*: you let in those that have one of the two.": lambda h, m: (
            (is_hit == h) | (is_matched == m)
        ),
        "That is the opposite: True is a donor that may.": lambda h, m: ~right(h, m),
        "Only hits are asked whether they are matched: misses are too.": lambda h, m: (
            right(h, m) if h else ~is_hit
        ),
        "Misses are never matched in yours: a miss is matched too if its target is wanted.": (
            lambda h, m: (is_hit == h) & ((is_hit & is_matched) == m)
        ),
        "With `matched=False` nothing is asked about the target: it shall *not* be wanted.": (
            lambda h, m: (is_hit == h) & (is_matched if m else yes)
        ),
        "With `hit=False` nothing is asked about the result: donors shall be misses.": (
            lambda h, m: (is_hit if h else yes) & (is_matched == m)
        ),
        "With False, nothing is asked: donors shall be misses, or not matched.": lambda h, m: (
            (is_hit if h else yes) & (is_matched if m else yes)
        ),
        "`x & hit` is False wherever `hit` is False: compare, `x == hit`.": lambda h, m: (
            (is_hit & h) & (is_matched == m)
        ),
        "`x & matched` is False wherever `matched` is False: compare, `x == matched`.": (
            lambda h, m: (is_hit == h) & (is_matched & m)
        ),
        "`x & hit` is False wherever `hit` is False: compare, `x == hit`, and `matched` "
        "likewise.": lambda h, m: (is_hit & h) & (is_matched & m),
        "You compared donors with positions in pairs: every donor with every position, "
        "`wanted[:, None]`.": lambda h, m: (is_hit[0] == h) & (paired == m),
        "You compared donors with positions in pairs: every donor with every position, "
        "`wanted[:, None]`. ": lambda h, m: (is_hit == h) & (paired == m),
        "A donor counts as matched if its target is wanted *anywhere*: each row has a wanted "
        "number of its own.": lambda h, m: (is_hit == h) & (anywhere == m),
        "That is one row for all positions: [position, donor].": lambda h, m: right(h, m).any(0),
        "That is one row, for all positions: [position, donor].": lambda h, m: right(h, m).all(0),
        "A donor counts as matched if its target is wanted anywhere, and there is one row for all "
        "positions: [position, donor].": lambda h, m: (is_hit[0] == h) & (anywhere[0] == m),
        "That is one answer for each position: [position, donor].": lambda h, m: right(h, m).any(1),
        "Those are numbers of positions and donors: give True or False for each position and "
        "donor.": lambda h, m: right(h, m).nonzero(),
        "No donor may: is something always False?": lambda h, m: no,
        "Every donor may: is something always True?": lambda h, m: yes,
    }


@exercise("utils.cases.verification.allowed_donors")
def check_allowed_donors(allowed_donors) -> str:
    """Donors of all kinds; some misses are matched, some have the wanted number as a result."""
    for target, result, wanted in (
        # hits; matched misses; misses whose result is wanted; the rest
        ([19, 7, 30, 19, 7, 4, 30, 8, 30], [19, 7, 30, 5, 30, 19, 19, 9, 2], [19, 7, 44, 30, 19]),
        ([12, 40, 12, 6, 40], [12, 6, 40, 6, 12], [40, 12, 6, 40, 12]),
        ([5, 9, 5, 3], [5, 5, 3, 3], [5]),
        ([8], [1], [8, 1, 2]),
    ):
        target, result, wanted = (torch.tensor(each) for each in (target, result, wanted))
        n, m = len(target), len(wanted)
        rights = [
            (hit == (target == result)) & ((target == wanted[:, None]) == matched)
            for hit, matched in KINDS
        ]
        gots = []
        for hit, matched in KINDS:
            try:
                got = allowed_donors(
                    target.clone(), result.clone(), wanted.clone(), hit=hit, matched=matched
                )
            except Wrong as wrong:
                if "size of tensor" not in str(wrong):
                    raise
                raise Wrong(
                    f"There are {n} donors and {m} positions, and each donor has to be compared "
                    "with each position: `wanted[:, None]` makes a column of it."
                ) from None
            expect(
                not isinstance(got, list | tuple | dict | set),
                f"Return one tensor of True and False, [position, donor], not {described(got)}.",
            )
            gots.append(got)
        if all(isinstance(got, Tensor) and not got.is_complex() for got in gots):
            same = [_equal(*pair) for pair in zip(gots, rights, strict=True)]
            for why, how in _donor_mistakes(target, result, wanted).items():
                wrong = [how(*kind) for kind in KINDS]
                if not all(same) and all(map(_equal, gots, wrong)):
                    raise Wrong(why)
        for (hit, matched), got, right in zip(KINDS, gots, rights, strict=True):
            match(
                got,
                right,
                what=f"Which of {n} donor{'s' * (n > 1)} may give to {m} position{'s' * (m > 1)}, "
                f"with `hit={hit}, matched={matched}`,",
                mistakes={},
            )
            expect(
                got.dtype == torch.bool,
                f"Your tensor is of type {got.dtype}: give True and False (`torch.bool`), with "
                "which one can choose.",
            )
    return "Four kinds of donors for every position."


# ---- The investigation -----


@investigation(
    "disabled", course={"heads": [(1, 3), (1, 5), (1, 4)], "gap left": 0.02, "sums right": 1.0}
)
def check_disabled(answer) -> str:
    """What `Lab.hand_in` returned."""
    expect(
        isinstance(answer, Mapping) and {"heads", "gap left", "sums right"} <= set(answer),
        "Give what `lab.hand_in(heads)` returns: it measures your heads on other puzzles.",
    )
    n, gap, sums = (len(answer["heads"]), answer["gap left"], answer["sums right"])
    expect(n <= 3, f"That is {n} heads: at most three are allowed. Which ones can stay?")
    expect(n > 0, "No head is out: give one to three.")
    expect(
        sums >= 0.95,
        f"Only {sums:.2f} of the sums are right: this model cannot add any more. Which of your "
        "heads bring the numbers of a sum together?",
    )
    expect(
        gap <= 0.2,
        f"{gap:.2f} of the gap is left: others stand in for your heads. Which heads do the same?",
    )
    return f"{n} heads: {gap:.2f} of the gap is left, and {sums:.2f} of the sums are right."


# ---- Heads by what they copy --------------------------------------------------------------------


def _heads_and_neurons(seed: int, *, n_heads: int, n_kv: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = {
        "W_V": (3, n_kv, 7, 5),
        "W_O": (3, n_heads, 5, 7),
        "W_gate": (3, 7, 9),
        "W_in": (3, 7, 9),
        "W_out": (3, 9, 7),
    }
    return {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}


def _copied(weights: Mapping[str, Tensor], *, share: Callable | None = None) -> Tensor:
    """Each head's OV circuit, [layer, head, d_model, d_model]; `share`: head -> key-value head."""
    W_V, W_O = weights["W_V"], weights["W_O"]
    n_heads, group = W_O.shape[1], W_O.shape[1] // W_V.shape[1]
    share = share or (lambda head: head // group)
    return torch.stack(
        [
            torch.stack([W_V[layer, share(head)] @ W_O[layer, head] for head in range(n_heads)])
            for layer in range(len(W_O))
        ]
    )


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
        weights = _heads_and_neurons(seed, n_heads=n_heads, n_kv=n_kv)
        gate, up = (
            torch.stack([weights[name][layer, :, i] for layer, i in neurons])
            for name in ("W_gate", "W_in")
        )

        def opened(d: Tensor, act: Callable = F.silu, *, gate=gate, up=up) -> Tensor:
            return act(d @ gate.T) * (d @ up.T)

        def diagonal(circuits: Tensor) -> Tensor:
            return circuits.diagonal(dim1=-2, dim2=-1)

        circuits = _copied(weights)
        d = diagonal(circuits)
        right = opened(d).mean(-1)
        order = torch.tensor([layer for layer, _ in neurons])
        through = torch.einsum("nd,lhde,ne->lhn", gate, circuits, up)
        mistakes = {
            "That is the sum: take the mean over the neurons.": opened(d).sum(-1),
            "Gate and up are exchanged: silu is on the gate's side, and `W_in` is up.": opened(
                d, gate=up, up=gate
            ).mean(-1),
            "silu is missing: a gate lets through little of what is below 0.": opened(
                d, lambda x: x
            ).mean(-1),
            "That is relu, and the gate has silu, which is x times sigmoid(x).": opened(
                d, F.relu
            ).mean(-1),
            "That is sigmoid alone: silu is x times sigmoid(x).": opened(d, torch.sigmoid).mean(-1),
            "That is gelu, and the gate has silu.": opened(d, F.gelu).mean(-1),
            "silu is on the product: it is on `gate . d` alone, and `up . d` multiplies it.": (
                F.silu((d @ gate.T) * (d @ up.T)).mean(-1)
            ),
            "silu is on both: `up . d` stays as it is.": (
                F.silu(d @ gate.T) * F.silu(d @ up.T)
            ).mean(-1),
            "`up . d` is missing.": F.silu(d @ gate.T).mean(-1),
            "silu of the gate is missing: that is `up . d` alone.": (d @ up.T).mean(-1),
            "You added the two: multiply silu(gate . d) by (up . d).": (
                F.silu(d @ gate.T) + d @ up.T
            ).mean(-1),
            "The signs are lost: a head may close what another opens.": opened(d).mean(-1).abs(),
            "The signs are lost before the mean: neurons may cancel.": opened(d).abs().mean(-1),
            "What is below 0 was cut off: the drive is signed.": opened(d).mean(-1).relu(),
            "That is the root mean square: take the plain mean, with its sign.": (
                opened(d).square().mean(-1).sqrt()
            ),
            "That is the largest: take the mean over the neurons.": opened(d).amax(-1),
            "You took the mean of all gates, and of all ups, first: the mean comes last.": (
                F.silu(d @ gate.mean(0)) * (d @ up.mean(0))
            ),
            "That is one number for each neuron: take the mean over them.": opened(d),
            "That is one number for each head over all layers: [layer, head].": right.mean(0),
            "That is one number for each layer: [layer, head].": right.mean(1),
            "Layers and heads are exchanged: [layer, head].": right.T,
            "The copying direction is made length 1 (or divided by its length): take it as it "
            "is.": opened(d / d.norm(dim=-1, keepdim=True)).mean(-1),
            "Gate and up are made length 1: take them as they are.": opened(
                d,
                gate=gate / gate.norm(dim=-1, keepdim=True),
                up=up / up.norm(dim=-1, keepdim=True),
            ).mean(-1),
            "The drive is divided by the size of the circuit: take it as it is.": right
            / circuits.norm(dim=(-2, -1)),
            "That is the whole circuit, `gate @ W_V @ W_O @ up`: here only its diagonal counts, as "
            "a vector.": through.mean(-1),
            "That is the whole circuit with silu: here only its diagonal counts, as a vector.": (
                F.silu(through).mean(-1)
            ),
            "You took sums of the circuit's rows: d is its diagonal.": opened(
                circuits.sum(-1)
            ).mean(-1),
            "You took sums of the circuit's columns: d is its diagonal.": opened(
                circuits.sum(-2)
            ).mean(-1),
            "The signs of the diagonal are lost.": opened(d.abs()).mean(-1),
            "You took the mean over neurons of each layer, then over layers: each neuron counts "
            "once.": torch.stack(
                [opened(d)[..., order == i].mean(-1) for i in set(order.tolist())]
            ).mean(0),
            "Each head has the neurons of its own layer only: it counts all of `neurons`.": (
                torch.stack(
                    [
                        opened(d)[layer][:, order == layer].sum(-1)
                        / max(1, int((order == layer).sum()))
                        for layer in range(3)
                    ]
                )
            ),
            "Heads have 0 or less where a neuron comes before them: here each head counts all of "
            "`neurons`.": torch.stack(
                [
                    opened(d)[layer][:, order >= layer].sum(-1)
                    / max(1, int((order >= layer).sum()))
                    for layer in range(3)
                ]
            ),
            "Heads have less where a neuron comes before them: here each head counts all of "
            "`neurons`.": torch.stack(
                [opened(d)[layer][:, order >= layer].sum(-1) for layer in range(3)]
            )
            / len(neurons),
            "The neuron's layer is ignored: (2, 5) is neuron 5 of layer 2, for every head.": (
                torch.stack(
                    [
                        opened(
                            d[layer],
                            gate=weights["W_gate"][layer][:, [i for _, i in neurons]].T,
                            up=weights["W_in"][layer][:, [i for _, i in neurons]].T,
                        ).mean(-1)
                        for layer in range(3)
                    ]
                )
            ),
            "Only the last neuron counts: take the mean over all of them.": opened(d)[..., -1],
            "Only the first neuron counts: take the mean over all of them.": opened(d)[..., 0],
            "You took what the neuron writes, `W_out`, for up: up is `W_in`.": opened(
                d, up=torch.stack([weights["W_out"][layer, i] for layer, i in neurons])
            ).mean(-1),
        }
        if n_kv < n_heads:
            shared = {
                "The shared values go to the wrong heads: with 2 for 4 heads they go 0, 0, 1, 1, "
                "and yours 0, 1, 0, 1. See `repeat_interleave`.": lambda head, n=n_kv: head % n,
                "All heads have the first values: heads share theirs in groups.": lambda head: 0,
                "Heads have values of other groups: head // (n_heads / n_kv_heads).": (
                    lambda head, n=n_kv: min(head, n - 1)
                ),
            }
            mistakes |= {
                why: opened(diagonal(_copied(weights, share=share))).mean(-1)
                for why, share in shared.items()
            }
        if len(neurons) == 1:  # where there is nothing to average, what is lost is the axis
            for why in [why for why, value in mistakes.items() if _equal(value, right)]:
                del mistakes[why]
        model = SimpleNamespace(
            cfg=SimpleNamespace(
                n_layers=3, n_heads=n_heads, n_key_value_heads=n_kv, d_model=7, d_head=5, d_mlp=9
            ),
            **{name: each.clone().requires_grad_() for name, each in weights.items()},
        )
        try:
            got = signed_drive(model, list(neurons))
        except Wrong as wrong:
            if n_kv == n_heads or "raised" not in str(wrong):
                raise
            raise Wrong(
                f"{wrong} Here {n_heads} heads share the values of {n_kv} (`W_V` has fewer heads "
                "than `W_O`)."
            ) from None
        match(
            got,
            right,
            what=f"The drive of {n_heads} heads with values of {n_kv}, for {len(neurons)} "
            f"neuron{'s' if len(neurons) > 1 else ''},",
            mistakes=mistakes,
        )
    return "What a head copies, as these neurons take it."


# ---- Reward for answers alone -------------------------------------------------------------------


def _losses(logits, tokens, start, reward) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """The right loss, from inputs in float64, and what each mistake makes of it."""
    n, length = tokens.shape
    at, real = torch.arange(length), tokens > 0
    predicted = real & (at > 0)
    since, log_p = at >= start[:, None], logits.log_softmax(-1)
    centred, spread = reward - reward.mean(1, keepdim=True), reward.std(1, keepdim=True)
    of_all, all_spread = reward - reward.mean(), reward.std()

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
    small = (
        "The standard deviation is used without its 1e-4, or with another number: that counts "
        "where a puzzle's rewards are almost equal."
    )
    shift = "Logits at p are for the token at p + 1: yours are matched with another one."
    positions = "The log-softmax is over positions: it belongs over the vocabulary, the last axis."
    return loss(), [
        ("The sign: the loss falls where rewarded texts become likelier.", -loss()),
        ("The baseline is missing: subtract the mean of the puzzle's rewards.", loss(reward)),
        (
            "The baseline is missing: subtract the mean of the puzzle's rewards before dividing.",
            loss(reward / (spread + 1e-4)),
        ),
        (f"All texts share a {own}", loss(of_all)),
        (f"All texts share a {own}", loss(of_all / (spread + 1e-4))),
        (
            "Mean and standard deviation are those of all texts: each puzzle has its own.",
            loss(of_all / (all_spread + 1e-4)),
        ),
        (
            "The standard deviation is that of all texts: each puzzle has its own.",
            loss(centred / (all_spread + 1e-4)),
        ),
        (
            "Mean and standard deviation are taken over puzzles: `reward` is [puzzle, sample], and "
            "they are over a puzzle's samples.",
            loss((reward - reward.mean(0)) / (reward.std(0) + 1e-4)),
        ),
        ("The advantage is not divided by the puzzle's standard deviation.", loss(centred)),
        (
            "That standard deviation divides by n (`correction=0`): `torch.std` divides by n - 1.",
            loss(centred / (reward.std(1, keepdim=True, correction=0) + 1e-4)),
        ),
        (
            "You divided by the variance: take its root, the standard deviation.",
            loss(centred / (spread.square() + 1e-4)),
        ),
        *(
            (small, loss((centred / (spread + other)).nan_to_num()))
            for other in (0, 1e-8, 1e-6, 1e-5, 1e-3)
        ),
        (
            "Add 1e-4 to the standard deviation, and not under its root.",
            loss(centred / (spread.square() + 1e-4).sqrt()),
        ),
        (
            "The rewards play no part: that is the cross-entropy of what was written.",
            loss(torch.ones(n)),
        ),
        (
            "The advantages went to other texts: all samples of the first puzzle come first.",
            loss(advantage.T),
        ),
        ("Those are probabilities: take their natural log.", loss(said=said.exp())),
        ("That is the log to base 2: take the natural log.", loss(said=said / math.log(2))),
        ("Those are the logits themselves: take their log-softmax.", loss(said=of(logits))),
        (positions, loss(said=of(logits.log_softmax(1)))),
        (positions, loss(said=of(F.pad(logits[:, :-1].log_softmax(1), (0, 0, 0, 1))))),
        (shift, loss(said=of(log_p, 0))),
        (shift, loss(said=of(log_p, 0), where=written & (at < length - 1))),
        (shift, loss(said=of(log_p, -1), where=written & (at < length - 1))),
        (
            "One token too early: the last one of the header counts in yours.",
            loss(where=predicted & (at >= start[:, None] - 1)),
        ),
        (
            "One token too late: the first one that the model wrote is missing in yours.",
            loss(where=predicted & (at > start[:, None])),
        ),
        (
            "The header counts in yours: the model's tokens begin at `start`.",
            loss(where=predicted),
        ),
        ("Padding counts in yours: leave out the tokens that are 0.", loss(where=since)),
        (
            "Header and padding count in yours: the model's tokens begin at `start`, and padding "
            "is 0.",
            loss(where=(at > 0).expand(n, -1)),
        ),
        (
            "The first padding after a text counts in yours: ask of the token itself whether it is "
            "0.",
            loss(where=since & nexts),
        ),
        ("The last token of each text is missing in yours.", loss(where=written & lasts)),
        (
            "One token too late: your mask is of tokens one position before those that it is used "
            "for.",
            loss(where=written.roll(1, 1) & (at > 0)),
        ),
        (
            "One token too early: your mask is of tokens one position behind those that it is used "
            "for.",
            loss(where=written.roll(-1, 1) & (at > 0) & (at < length - 1)),
        ),
        (
            "All texts begin at the first one's start: each has its own.",
            loss(where=real & (at >= start[0])),
        ),
        ("That is the sum: take the mean over all tokens that were written.", loss(over=1)),
        (
            "That is the mean of each text, and then of the texts: the mean is over all tokens at "
            "once, where a long text counts for more.",
            -each_text,
        ),
        ("You divided by the number of texts: divide by that of tokens written.", loss(over=n)),
        *(
            (
                "That is the mean over all positions, also those that were set to 0: divide by the "
                "number of tokens that were written.",
                loss(over=over),
            )
            for over in (n * length, n * (length - 1), (predicted).sum(), since.sum())
        ),
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
        try:
            got = policy_gradient_loss(asks, tokens.clone(), start.clone(), reward.clone())
        except Wrong as wrong:
            if "size of tensor" not in str(wrong):
                raise
            raise Wrong(
                f"{wrong} Here are {n} texts of {length} tokens, {len(rewards)} puzzles of "
                f"{len(rewards[0])} samples. A mean over one axis keeps it with `keepdim=True`."
            ) from None
        is_real = isinstance(got, Tensor) and not got.is_complex()
        expect(
            not (seed and is_real and bool(got.isnan().any())),
            "The loss is NaN where all rewards of a puzzle are equal: is their standard deviation, "
            "which is 0, without its 1e-4?",
        )
        if is_real and not _equal(got, right):
            for why, each in mistakes:
                expect(not _equal(got, each), why)
        match(got, right.detach(), what=f"The loss of {n} texts", mistakes={})
        slopes = [
            torch.autograd.grad(each, asked)[0] for each, asked in ((right, exact), (got, asks))
        ]
        expect(
            _equal(*slopes),
            "The loss is right, and its gradient is not: a part of the log-probability has none. "
            "No `.detach()` and no `torch.no_grad()` on the way from the logits.",
        )
    return "Texts that did better than their puzzle's others get likelier."
