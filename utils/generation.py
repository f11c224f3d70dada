"""Letting a model write."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import LogitsProcessorList, PreTrainedModel

from utils.guards import axes, count, evaluating, filled, guarded, number, unpadded
from utils.steering import Steering


def _writes(value, _: Mapping) -> str | None:
    is_native = not hasattr(value.original_model, "generate")
    return "is native and cannot `sample`: use model.generate(...) for it" if is_native else None


def _in_vocabulary(value: Tensor, given: Mapping) -> str | None:
    d_vocab = given["model"].cfg.d_vocab
    fits = not value.is_floating_point() and bool(((value >= 0) & (value < d_vocab)).all())
    return None if fits else f"holds what is no token: they are whole numbers below {d_vocab}"


@guarded(
    model=(_writes, evaluating),
    prompts=(axes(2), filled, _in_vocabulary, unpadded),
    n_tokens=count(),
    temperature=number(low=0),
)
@torch.no_grad()
def sample(
    model,
    prompts: Int[Tensor, "batch pos"],
    *,
    n_tokens: int = 30,
    temperature: float = 0.8,
    generator: torch.Generator | None = None,
    stop_at_eos: bool = False,
) -> Int[Tensor, "batch n_tokens"]:
    """New tokens for each row of prompts, by transformers' `generate` with the key-value cache.

    The random numbers are drawn on the CPU. They depend on the generator, the step, the row and how
    many rows there are. So two runs of equally many rows that differ by an intervention, each with
    a generator of the same seed, share them: a little less noise between the two, and the same text
    on every device, as far as rounding allows.
    (Gumbel noise is added to the scaled logits, and the largest taken, which is the same as
    sampling.)

    Args:
        model: a TransformerBridge around a Hugging Face model. What `utils.steering.steer` does to
            it is done at full speed; any other hook makes it run a little slower.
        prompts: rows of one length, with BOS.
        temperature: 0 takes the likeliest token.
        generator: on the CPU; without one, the random numbers are the same in each call.
        stop_at_eos: end a row at the end-of-text token; the rest of it then repeats that token.
            False never writes that token.

    Raises:
        ValueError: a toy model made by `boot_native`, which has no `generate` of its own; prompts
            that are padded, or too long for the model's context.
    """
    width, n_ctx = prompts.shape[1], model.cfg.n_ctx
    if width + n_tokens > n_ctx:
        raise ValueError(
            f"{width} tokens and {n_tokens} new ones are more than this model's {n_ctx}."
        )
    generator = generator or torch.Generator().manual_seed(0)

    def with_noise(tokens, logits):
        uniform = torch.rand(logits.shape, generator=generator).clamp(1e-9, 1 - 1e-7)
        return logits / temperature - torch.log(-torch.log(uniform)).to(logits)

    with _runnable(model) as runnable:
        written = runnable.generate(
            prompts.to(model.cfg.device),
            attention_mask=torch.ones_like(prompts, device=model.cfg.device),
            max_new_tokens=n_tokens,
            min_new_tokens=None if stop_at_eos else n_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([with_noise] if temperature else []),
        )
    new = written[:, prompts.shape[1] :]
    missing = n_tokens - new.shape[1]  # all rows had ended
    return torch.nn.functional.pad(new, (0, missing), value=int(new[0, -1])) if missing else new


@contextmanager
def _runnable(model) -> Iterator[PreTrainedModel]:
    """A transformers model that does what the bridge does, without its hook points if possible.

    Hundreds of hook points that nobody uses cost a fifth of the time. So this makes the plain
    model, of the very same weights (a tenth of a second, no memory), and moves what `steer` added
    over to it. With any other hook, or folded weights, it is the bridge's own.
    """
    points = dict.fromkeys(model.hook_dict.values())  # some have two names
    hooks = [handle.user_hook for point in points for handle in point.fwd_hooks]
    if model.compatibility_mode or not all(isinstance(hook, Steering) for hook in hooks):
        yield model.original_model
        return
    plain, names = bare_model(model), model.adapter.component_mapping
    with ExitStack() as stack:
        for steering in hooks:
            at_end = steering.layer == model.cfg.n_layers
            name = names["ln_final" if at_end else "blocks"].name
            module = plain.get_submodule(name if at_end else f"{name}.{steering.layer}")

            def add(module, args, steering=steering):
                return steering(args[0]), *args[1:]

            stack.enter_context(steering.watching(plain))
            stack.callback(module.register_forward_pre_hook(add).remove)
        yield plain


def bare_model(model) -> PreTrainedModel:
    """The transformers model inside a bridge, without the bridge, on the same weights."""
    inside = model.original_model
    config = copy.deepcopy(inside.config)
    config._attn_implementation = "sdpa"
    with torch.device("meta"):  # no memory, no random initial weights
        plain = type(inside)(config)
    own = {**inside.state_dict(), **dict(inside.named_buffers())}
    own = {name.replace("._original_component", ""): tensor for name, tensor in own.items()}
    plain.load_state_dict({name: own[name] for name in plain.state_dict()}, assign=True)
    plain.tie_weights()
    for name, _ in list(plain.named_buffers()):
        parent, _, leaf = name.rpartition(".")
        plain.get_submodule(parent).register_buffer(leaf, own[name], persistent=False)
    plain.generation_config = inside.generation_config
    return plain.eval()
