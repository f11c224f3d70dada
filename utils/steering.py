"""Writing to a model: adding to the residual stream, at one layer, while a context is open.

Layer L is `blocks.L.hook_resid_pre`, the residual stream before block L, as in `utils.activations`:
a direction that a probe found at layer L is added at layer L. Layer `n_layers` is the stream after
the last block.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from utils.guards import axes, count, evaluating, guarded, number, several

Change = (
    Float[Tensor, "*shape d_model"]
    | Callable[[Float[Tensor, "batch chosen d_model"]], Float[Tensor, "..."]]
)


class Steering:
    """The hook that `steer` sets, which `utils.generation` can set on a bare model too."""

    def __init__(self, change: Change, *, layer: int, positions: slice | list[int]):
        self.change, self.layer, self.positions = change, layer, positions
        self.past = 0  # positions that the key-value cache holds

    def __call__(self, resid: Float[Tensor, "batch pos d_model"], hook=None) -> Tensor:
        here, index = _chosen(self.positions, self.past, resid.shape[1], resid.device)
        if not len(here):
            return resid
        if not isinstance(self.change, Tensor):
            added = self.change(resid[:, here])
            if added.ndim == 2 or added.shape[-1:] != resid.shape[-1:]:
                raise ValueError(
                    f"The function that steers gave {tuple(added.shape)}: give [batch, chosen, "
                    "d_model], or one vector [d_model]."
                )
        elif self.change.ndim == 2:  # a row for each position
            added = self.change[index.to(self.change.device)]
        elif self.change.ndim == 3 and len(self.change) not in (1, len(resid)):
            raise ValueError(
                f"`change` has a vector for each of {len(self.change)} texts, and {len(resid)} run."
            )
        else:
            added = self.change
        out = resid.clone()
        out[:, here] += added.to(resid)
        return out

    @contextmanager
    def watching(self, module: torch.nn.Module) -> Iterator[None]:
        """While this is open, know how much of the text is in the cache when `module` runs."""

        def note_past(module, args, kwargs):
            cache = kwargs.get("past_key_values")
            self.past = 0 if cache is None else cache.get_seq_length()

        handle = module.register_forward_pre_hook(note_past, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


@contextmanager
def steer(
    model, change: Change, *, layer: int, positions: slice | Sequence[int] | None = None
) -> Iterator[None]:
    """While this is open, add something to the residual stream before a block.

    Works for every way to run the model: a forward pass, `run_with_cache`, `generate` with the
    key-value cache, where a step sees one position alone, and `utils.generation.sample`. The hook
    goes when the context is left, also by an error or an interrupt.

    Args:
        model: a TransformerBridge.
        change: what to add. A vector [d_model] goes to every chosen position; [batch 1 d_model]
            gives each row its own; [n d_model], with as many positions in a list, each position its
            own. A function gets the residual stream at the chosen positions
            [batch chosen d_model], and returns what to add to it.
        layer: from 0 to n_layers; n_layers is the stream after the last block.
        positions: counted from the start of each row, where BOS (or padding) is 0, whatever is
            cached: `slice(n_prompt, None)` is all but the prompt. None is all.

    Raises:
        ValueError: the layer does not exist, a position is negative or comes twice, or `change`
            does not fit or is not finite.

    Source: activation addition (Turner et al., 2023, arXiv 2308.10248).
    """
    name, wanted = hook_name(model, layer), _checked(positions)
    if isinstance(change, Tensor):
        check_shape(change, wanted, model.cfg.d_model)
    elif not callable(change):
        raise ValueError(f"`change` is a {type(change).__name__}: give a tensor or a function.")
    steering = Steering(change, layer=layer, positions=wanted)
    with steering.watching(model.original_model), model.hooks(fwd_hooks=[(name, steering)]):
        yield


def hook_name(model, layer: int) -> str:
    """The hook of the residual stream before block `layer`; at n_layers, after the last block.

    Raises:
        ValueError: there is no such layer.
    """
    n_layers = model.cfg.n_layers
    if layer not in range(n_layers + 1):
        raise ValueError(f"This model has layers 0 to {n_layers}, where {n_layers} is its end.")
    if layer == n_layers:
        return f"blocks.{n_layers - 1}.hook_resid_post"
    return f"blocks.{layer}.hook_resid_pre"


def _checked(positions: slice | Sequence[int] | None) -> slice | list[int]:
    if positions is None:
        return slice(None)
    numbers = positions
    if isinstance(positions, slice):
        numbers = [n for n in (positions.start, positions.stop, positions.step) if n is not None]
    if any(n < 0 for n in numbers):
        raise ValueError(
            "Count positions from the start of the row: while a text grows, its end moves."
        )
    if not isinstance(positions, slice) and len(set(positions)) < len(positions):
        raise ValueError("A position comes twice, and is steered once: name each of them once.")
    return positions if isinstance(positions, slice) else list(positions)


def check_shape(change: Tensor, wanted: slice | list[int], d_model: int) -> None:
    """Raises a ValueError that says which shape is wanted, if `change` does not fit."""
    if change.shape[-1:] != (d_model,) or change.ndim > 3:
        raise ValueError(
            f"`change` has shape {tuple(change.shape)}, and its last axis must be d_model, "
            f"which is {d_model} here."
        )
    if change.ndim == 2 and (isinstance(wanted, slice) or len(wanted) != len(change)):
        raise ValueError(
            f"A `change` of {len(change)} rows needs a list of {len(change)} positions, one a row."
        )
    if change.ndim == 3 and change.shape[1] != 1:
        raise ValueError("A `change` for each text is [batch, 1, d_model]: one vector a text.")
    if not change.isfinite().all():
        raise ValueError("`change` holds NaN or infinity: was a vector of length 0 divided by it?")


def _chosen(
    wanted: slice | list[int], past: int, n: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which of the n positions that run now are wanted, and which of the wanted those are."""
    if isinstance(wanted, slice):
        numbers = range(*wanted.indices(past + n))
        pairs = [(at - past, i) for i, at in enumerate(numbers) if at >= past]
    else:
        pairs = [(at - past, i) for i, at in enumerate(wanted) if past <= at < past + n]
    here, index = zip(*pairs, strict=True) if pairs else ((), ())
    return torch.tensor(here, device=device), torch.tensor(index)


@guarded(model=evaluating, texts=several)
@torch.no_grad()
def typical_norm(model, texts: Sequence[str], *, layer: int) -> float:
    """The median length of the residual stream at a layer: the unit for a steering vector's dose.

    Over all positions of all texts but the first of each, whose vector is unlike all others (it
    may be a hundred times as long).

    Raises:
        ValueError: the texts hold no token besides BOS.
    """
    lengths = []

    def keep(resid, hook):
        lengths.append(resid[0, 1:].float().norm(dim=-1))

    name = hook_name(model, layer)
    with model.hooks(fwd_hooks=[(name, keep)]):
        for text in texts:
            model(model.to_tokens(text), stop_at_layer=min(layer + 1, model.cfg.n_layers))
    if not sum(map(len, lengths)):
        raise ValueError("Give at least one text that holds a token besides BOS.")
    return torch.cat(lengths).median().item()


def _points(value: Tensor, _: Mapping) -> str | None:
    """Vectors that have a direction."""
    if value.dtype == torch.float16:
        return "is float16, in which lengths overflow: give `.float()`"
    lengths = value.float().norm(dim=-1)
    good = bool(((lengths > 0) & lengths.isfinite()).all())
    return None if good else "holds a vector of length 0, or of none that is finite"


@guarded(direction=_points, dose=number(), norm=number(low=0, over=True))
def at_dose(
    direction: Float[Tensor, "*shape d_model"], dose: float, *, norm: float
) -> Float[Tensor, "*shape d_model"]:
    """The vector along a direction whose length is `dose` times `norm`.

    Args:
        direction: of any length; of several, each gets the length that is asked for.
        dose: below 0 it points the other way.
        norm: the typical norm of the residual stream (see `utils.steering.typical_norm`).
    """
    return direction / direction.norm(dim=-1, keepdim=True) * dose * norm


@guarded(n=count(), like=(axes(1), _points))
def random_directions(
    n: int, like: Float[Tensor, " d_model"], *, generator: torch.Generator
) -> Float[Tensor, "n d_model"]:
    """Directions drawn at random, none likelier than another, each as long as `like`.

    Args:
        generator: on the CPU. All random numbers come from it and from nowhere else.
    """
    drawn = torch.randn(n, len(like), generator=generator).to(like)
    return drawn / drawn.norm(dim=-1, keepdim=True) * like.norm()
