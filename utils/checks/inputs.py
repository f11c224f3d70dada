"""What a function was given, before and after: a learner's function leaves its inputs alone."""

import dataclasses
import types
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device)
# What cannot be changed, or is there to be used up.
_LEFT_OUT = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, torch.Generator, type)


def state(value: Any, seen: frozenset[int] = frozenset()) -> Any:
    """A copy of all that can change in a value, for `same`.

    Tensors and arrays, containers, modules with their hooks and modes, caches, and the attributes
    of any other object.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, _LEFT_OUT) or id(value) in seen:
        return type(value)
    if isinstance(value, Tensor):
        dense = value if value.layout == torch.strided else value.to_dense()
        return dense.detach().clone(), value.requires_grad
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, torch.nn.Module):
        weights = {**dict(value.named_parameters()), **dict(value.named_buffers())}
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        hooks = [list(getattr(module, kind)) for module in value.modules() for kind in kinds]
        modes = [module.training for module in value.modules()]
        return state(weights), hooks, modes, state(getattr(value, "cfg", None))
    seen |= {id(value)}
    if isinstance(value, Mapping):
        return {key: state(each, seen) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [state(each, seen) for each in value]
    if isinstance(value, Set):
        return set(value)
    return {key: state(each, seen) for key, each in getattr(value, "__dict__", {}).items()}


def remedy(value: Any, before: Any, after: Any) -> str:
    """What to do about an input whose state has changed."""
    if isinstance(value, torch.nn.Module) and before[1] != after[1]:
        return "a hook stays on it. `run_with_hooks` and `with model.hooks(...)` take theirs off"
    return "work on a copy, such as `.clone()` of a tensor"


def same(before: Any, after: Any) -> bool:
    """Whether two states are equal to the last bit; NaN equals NaN."""
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        if before.shape != after.shape or before.dtype != after.dtype:
            return False
        return bool(((before == after) | (before.isnan() & after.isnan())).all())
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        if before.dtype.kind in "OUS":
            return np.array_equal(before, after)
        return np.array_equal(before, after, equal_nan=True)
    if type(before) is not type(after):
        return False
    if isinstance(before, dict):
        # By order too: a list of heads or layers may be read from a dictionary's keys.
        return list(before) == list(after) and all(same(before[key], after[key]) for key in before)
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after) or (before != before and after != after)


def tensors(value: Any) -> list[Tensor]:
    """The tensors in a value, in its containers and in dataclasses."""
    if isinstance(value, Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        value = vars(value)
    parts = value.values() if isinstance(value, Mapping) else value
    if isinstance(parts, (list, tuple)) or isinstance(value, Mapping):
        return [tensor for part in parts for tensor in tensors(part)]
    return []


def moved(value: Any, device: str) -> Any:
    """The value with its tensors, and those in its lists, tuples and dictionaries, on a device."""
    if isinstance(value, Tensor):
        return value.detach().to(device)
    if isinstance(value, dict):
        return {key: moved(each, device) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(moved(each, device) for each in value)
    return value


def described(value: Any) -> str:
    """What a value is, for a sentence: "a tensor of shape (2, 3)", "a list of 2 (an int, None)"."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if value is None:
        return "None"
    name = type(value).__name__
    article = "an" if name[0] in "aeiou" else "a"
    if isinstance(value, (list, tuple, Set, Mapping)):
        inside = [described(each) for each in list(value)[:3]]
        more = ", ..." if len(value) > 3 else ""
        return f"{article} {name} of {len(value)} ({', '.join(inside)}{more})"
    return f"{article} {name}"


def drawn_from(seed: int) -> int:
    """The seed that a generator draws with: another where seeds are moved. For caches of cases."""
    return torch.Generator().manual_seed(seed).initial_seed()
