"""Guards of public functions: bad input gets one sentence, and never a silent wrong number.

`@guarded(scores=finite, layer=layer_of_model())` looks at those arguments before the function runs.
A guard takes a value and all arguments, and returns what is wrong with the value, or None.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence, Sized
from operator import index
from typing import Any, SupportsIndex

import torch
from torch import Tensor

Guard = Callable[[Any, Mapping[str, Any]], str | None]


def guarded(**guards: Guard | tuple[Guard, ...]) -> Callable[[Callable], Callable]:
    """Makes a function raise a ValueError for an argument that a guard complains about.

    Arguments that are None are left alone: they stand for a default.
    """

    def wrap(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args, **kwargs):
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            for name, wanted in guards.items():
                value = given.arguments[name]
                for guard in wanted if isinstance(wanted, tuple) else (wanted,):
                    try:
                        complaint = None if value is None else guard(value, given.arguments)
                    except Exception as error:  # it cannot even look at the value
                        complaint = f"is of type {type(value).__name__}: see its help ({error})"
                    if complaint:
                        raise ValueError(f"`{name}` {complaint}.")
            return function(*args, **kwargs)

        return call

    return wrap


def finite(value: Tensor | float | Sequence[float], _: Mapping) -> str | None:
    """A tensor or numbers without NaN and infinity."""
    good = bool(torch.as_tensor(value).isfinite().all())
    return None if good else "holds NaN or infinity: find out where they come from first"


def floating(value: Tensor, _: Mapping) -> str | None:
    """A tensor of floats."""
    return None if value.is_floating_point() else f"is {value.dtype}: give floats (`.float()`)"


def filled(value: Sized, _: Mapping) -> str | None:
    """Something with at least one entry."""
    return None if len(value) else "is empty: give at least one"


def number(*, low: float = float("-inf"), high: float = float("inf"), over: bool = False) -> Guard:
    """A finite number from `low` (if `over`, above it) to `high`."""

    def guard(value: float, _: Mapping) -> str | None:
        fits = low <= value <= high and not (over and value == low) and abs(value) < float("inf")
        bounds = [f"{'above' if over else 'at least'} {low:g}"] * (low > float("-inf"))
        bounds += [f"at most {high:g}"] * (high < float("inf"))
        return None if fits else f"is {value}, and must be {' and '.join(bounds) or 'finite'}"

    return guard


def count(*, low: int = 1) -> Guard:
    """A whole number of at least `low`."""

    def guard(value: SupportsIndex, _: Mapping) -> str | None:
        fits = isinstance(value, SupportsIndex) and torch.as_tensor(value).dtype != torch.bool
        fits = fits and index(value) >= low
        return None if fits else f"is {value!r}: give a whole number from {low}"

    return guard


def two_classes(value: Tensor, _: Mapping) -> str | None:
    """A row of labels 0 and 1 (or False and True), both of them."""
    found = sorted(set(value.flatten().tolist()))
    wrong = None if found == [0, 1] else f"holds {found[:4]}: give rows of both labels, 0 and 1"
    return wrong or axes(1)(value, _)


def binary(value: Tensor, _: Mapping) -> str | None:
    """A row of labels 0 and 1 (or False and True), one of them or both."""
    found = sorted(set(value.flatten().tolist()) - {0, 1})
    return f"holds {found[:4]}: labels are 0 and 1" if found else axes(1)(value, _)


def no_zeros(value: Tensor, _: Mapping) -> str | None:
    """Vectors along the last axis that point somewhere."""
    return None if bool(value.any(-1).all()) else "has length 0: it points nowhere"


def several(value: Sized, _: Mapping) -> str | None:
    """A list of texts or names, not a single one, which is a sequence of letters."""
    return "is one text: give a list of them" if isinstance(value, str) else None


def plain(value: Sequence, _: Mapping) -> str | None:
    """Names of groups that are no tensors, each of which is a key of its own, whatever it holds."""
    parts = [part for each in value if isinstance(each, tuple) for part in each]
    wrong = any(isinstance(each, Tensor) for each in (value, *value, *parts))
    return "holds tensors, each a group of its own: give a list (`.tolist()`)" if wrong else None


def axes(n: int) -> Guard:
    """A tensor of `n` axes."""

    def guard(value: Tensor, _: Mapping) -> str | None:
        return None if value.ndim == n else f"has shape {tuple(value.shape)}: give {n} axes"

    return guard


def shaped_as(other: str) -> Guard:
    """A tensor of the shape of another argument."""

    def guard(value: Tensor, given: Mapping) -> str | None:
        here, there = tuple(value.shape), tuple(given[other].shape)
        return None if here == there else f"has shape {here}, and `{other}` {there}"

    return guard


def index_of(other: str, axis: int = 0) -> Guard:
    """Whole numbers that count along an axis of another argument, from 0."""

    def guard(value: Tensor | Sequence[int] | int, given: Mapping) -> str | None:
        value, top = torch.as_tensor(value), given[other].shape[axis] - 1
        fits = bool(((value >= 0) & (value <= top)).all())
        fits = fits and not (value.numel() and value.is_floating_point())
        return None if fits else f"must hold whole numbers from 0 to {top}, as `{other}` has them"

    return guard


def as_long_as(other: str) -> Guard:
    """As many entries as another argument."""

    def guard(value: Sequence | Tensor, given: Mapping) -> str | None:
        wanted = len(given[other])
        return None if len(value) == wanted else f"has {len(value)} entries, and `{other}` {wanted}"

    return guard


def layer_of(model: str = "model", *, end: bool = True) -> Guard:
    """A layer of the model that is another argument; with `end`, the stream after the last too."""

    def guard(value: int, given: Mapping) -> str | None:
        top = given[model].cfg.n_layers - (not end)
        return None if 0 <= value <= top else f"is {value}: this model has layers 0 to {top}"

    return guard


def evaluating(value: Any, _: Mapping) -> str | None:
    """A model that is not in training mode."""
    is_training = getattr(value, "training", False)  # a function of tokens will do for a model
    return "is in training mode: call `.eval()` first" if is_training else None


def unpadded(value: Tensor, given: Mapping) -> str | None:
    """Rows of tokens that neither begin nor end with padding, which `model` would take for text.

    Padding is a pad token at the start, but for one BOS that is the same token; and at the end more
    than one, or one that other rows lack. If EOS is the pad token, a text that ends with it while
    others do not looks just like a padded one: run it by itself.
    """
    tokenizer = getattr(given["model"], "tokenizer", None)
    if (pad := getattr(tokenizer, "pad_token_id", None)) is None:
        return None
    here = (value == pad).int()
    before, after = here.cumprod(1).sum(1), here.flip(1).cumprod(1).sum(1)
    padded = (before > int(pad == tokenizer.bos_token_id)) | (after > after.min().clamp(max=1))
    wrong = f"is padded in row {int(padded.int().argmax())} (token {pad}): give rows of one length"
    return wrong if padded.any() else None
