"""How fast and how big, beside the library that does the same: `make bench`.

Both sides run in turn in one process on the same inputs; each number is the median over the pairs.
Seconds move with the machine and with who else uses it; ratios move less. `--json` prints them as
JSON, alone, on standard output. `--only NAME` runs one row.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
import transformer_lens.patching as tl
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from data.chat.task import texts
from data.ioi import task as ioi
from utils.circuits import patching
from utils.features import sae
from utils.fetch import fetch
from utils.generation import sample
from utils.models import load
from utils.steering import steer


class LiveTensors(TorchDispatchMode):
    """Within it, counts the bytes of the tensors that are made; views and old tensors are free."""

    def __init__(self, model):
        super().__init__()
        self.seen = {p.untyped_storage()._cdata for p in [*model.parameters(), *model.buffers()]}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self._note(storage, storage._cdata, storage.nbytes())
        return out

    def _note(self, owner: object, key: int, n_bytes: int) -> None:
        if key not in self.seen:
            self.seen.add(key)
            self.now += n_bytes
            self.peak = max(self.peak, self.now)
            weakref.finalize(owner, self._forget, key, n_bytes)

    def _forget(self, key: int, n_bytes: int) -> None:
        self.seen.discard(key)
        self.now -= n_bytes


def product_speed() -> float:
    """Operations a second in a large product with weights."""
    x, weight = torch.randn(2048, 576), torch.randn(1536, 576)
    product = partial(torch.nn.functional.linear, x, weight)
    return 2 * 2048 * 576 * 1536 / min(timed(product)[1] for _ in range(20))


def needed_operations(model, n_prompts: int, starts: list[int], n_pos: int) -> float:
    """Operations, in products with weights, that we know no way round.

    A patch in a layer changes every later position in that block and all later ones, and the
    logits at one position. Patches in a layer start at `starts`.
    """
    block = sum(p.numel() for p in model.blocks[0].parameters() if p.ndim == 2)
    unembed = model.cfg.d_model * model.cfg.d_vocab
    return sum(
        2 * n_prompts * ((n_pos - start) * (model.cfg.n_layers - layer) * block + unembed)
        for layer in range(model.cfg.n_layers)
        for start in starts
    )


def patching_row(model, *, what: str, corrupt: Callable, pairs: int) -> dict[str, float]:
    """One sweep by our engine and by TransformerLens, on 4 prompts of 15 tokens."""
    prompts = ioi.prompts(model, 4, generator=torch.Generator().manual_seed(0))
    corrupted = corrupt(model, prompts)
    n_prompts, n_pos = corrupted.shape
    first = int((corrupted != prompts.tokens).any(0).int().argmax())
    library, setter, axes = {
        "z": (
            tl.get_act_patch_attn_head_out_all_pos,
            tl.layer_head_vector_patch_setter,
            ["layer", "head"],
        ),
        "resid_pre": (tl.get_act_patch_resid_pre, tl.layer_pos_patch_setter, ["layer", "pos"]),
    }[what]

    def metric(logits):
        return prompts.logit_diff(logits).mean()

    def ours():
        return patching.sweep(
            model, corrupted, prompts.tokens, prompts.logit_diff, what=what, progress=False
        ).values

    @torch.no_grad()
    def theirs(sweep: Callable = library):
        ending = patching.HOOKS[what]
        _, cache = model.run_with_cache(
            prompts.tokens, names_filter=lambda name: name.endswith(ending)
        )
        with contextlib.redirect_stderr(io.StringIO()):
            return sweep(model, corrupted, cache, metric)

    def two_patches(model, tokens, cache, metric):  # all of theirs take the same memory
        rows = pd.DataFrame([[0, 2], [model.cfg.n_layers - 1, 2]], columns=axes)
        return tl.generic_activation_patch(
            model, tokens, cache, metric, setter, what, index_df=rows
        )

    row = compare(ours, theirs, pairs)
    starts = [first] * model.cfg.n_heads if what == "z" else list(range(first, n_pos))
    floor = needed_operations(model, n_prompts, starts, n_pos) / product_speed()
    row |= {"floor_s": floor, "times_floor": row["ours_s"] / floor}
    return row | {
        "ours_peak_mb": peak_mb(model, ours),
        "transformer_lens_peak_mb": peak_mb(model, partial(theirs, two_patches)),
    }


def compare(ours: Callable, theirs: Callable, pairs: int) -> dict[str, float]:
    """Medians over `pairs` of both sides, run in turn, and how far the results lie apart."""
    ours_s, theirs_s, ratios = [], [], []
    for _ in range(pairs):
        (mine, a), (library_s, b) = timed(ours), timed(theirs)
        ours_s.append(a)
        theirs_s.append(b)
        ratios.append(b / a)
    return {
        "ours_s": statistics.median(ours_s),
        "transformer_lens_s": statistics.median(theirs_s),
        "ratio": statistics.median(ratios),
        "max_abs_diff": float((mine - library_s).abs().max()),
    }


def timed(function: Callable) -> tuple[torch.Tensor, float]:
    start = time.perf_counter()
    result = function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def peak_mb(model, function: Callable) -> float:
    """MB of tensors beside the model's weights, at the peak, in an extra run that is not timed."""
    with LiveTensors(model) as live:
        function()
    return live.peak / 1e6


def swap_second_name(model, prompts):
    """The lessons' corruption: the two runs differ from token 10 of 15 on."""
    return prompts.swapped().tokens


def change_all_names(model, prompts):
    """The hard case: the two runs differ from token 2 of 15 on."""
    other = ioi.prompts(model, 4, generator=torch.Generator().manual_seed(0), names=ioi.OTHER_NAMES)
    return other.tokens


def generation_row(model, *, rows: int, pairs: int) -> dict[str, float]:
    """30 tokens after a prompt: steered by us, and plain by transformers' own `generate`."""
    plain = AutoModelForCausalLM.from_pretrained(fetch(), dtype=model.cfg.dtype)
    plain = plain.eval().to(model.cfg.device)
    prompt = model.to_tokens("I went to the new restaurant and").expand(rows, -1)
    vector = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    vector = vector.to(model.cfg.device)
    n_tokens, middle = 30, model.cfg.n_layers // 2

    def ours(vector=vector):
        with steer(model, vector, layer=middle):
            return sample(model, prompt, n_tokens=n_tokens, temperature=0)

    @torch.no_grad()
    def theirs():
        asked = {"max_new_tokens": n_tokens, "min_new_tokens": n_tokens, "do_sample": False}
        return plain.generate(prompt, **asked)[:, prompt.shape[1] :]

    @torch.no_grad()
    def by_the_bridge():
        asked = {"max_new_tokens": n_tokens, "do_sample": False, "stop_at_eos": False}
        with steer(model, vector, layer=middle):
            return model.generate(prompt, verbose=False, **asked)

    ours_s, theirs_s, bridge_s = (
        statistics.median(column)
        for column in zip(
            *([timed(side)[1] for side in (ours, theirs, by_the_bridge)] for _ in range(pairs)),
            strict=True,
        )
    )
    return {
        "steered_tokens_per_s": rows * n_tokens / ours_s,
        "transformers_tokens_per_s": rows * n_tokens / theirs_s,
        "ratio": theirs_s / ours_s,
        "ratio_of_bridge_generate": theirs_s / bridge_s,
        "same_tokens_unsteered": float(torch.equal(ours(0 * vector), theirs())),
    }


def some_texts(n_tokens: int) -> list[torch.Tensor]:
    """Token ids of the first training texts of data/chat, so many tokens at least."""
    rows, found = texts("train"), []
    while sum(map(len, found)) < n_tokens:
        found.append(rows[len(found)])
    return found


def harvest_row(model, *, pairs: int, layer: int = 15) -> dict[str, float]:
    """Activations of 4,000 tokens: ours, and `run_with_cache` on the same batches."""
    longest_first = sorted(some_texts(4_000), key=len, reverse=True)
    n_tokens, bos = sum(map(len, longest_first)), model.tokenizer.bos_token_id
    name = f"blocks.{layer}.hook_resid_pre"

    def ours():
        return sae.harvest(model, longest_first, layer=layer)

    @torch.no_grad()
    def theirs():
        found, left = [], longest_first
        while left:
            n = max(1, 4096 // (1 + len(left[0])))
            rows, left = left[:n], left[n:]
            tokens = torch.nn.utils.rnn.pad_sequence([r.long() for r in rows], batch_first=True)
            tokens = torch.nn.functional.pad(tokens, (1, 0), value=bos).to(model.cfg.device)
            cache = model.run_with_cache(tokens, names_filter=name, stop_at_layer=layer + 1)[1]
            found += [x[1 : 1 + len(row)].cpu() for x, row in zip(cache[name], rows, strict=True)]
        return torch.cat(found)

    times = [[timed(side)[1] for side in (ours, theirs)] for _ in range(pairs)]
    ours_s, theirs_s = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "tokens_per_s": n_tokens / ours_s,
        "transformer_lens_tokens_per_s": n_tokens / theirs_s,
        "ratio": theirs_s / ours_s,
        "max_difference": (ours() - theirs()).abs().max().item(),
    }


ROWS = {
    "patching_head_sweep": partial(patching_row, what="z", corrupt=swap_second_name),
    "patching_resid_sweep": partial(patching_row, what="resid_pre", corrupt=swap_second_name),
    "patching_head_sweep_all_names": partial(patching_row, what="z", corrupt=change_all_names),
    "steered_generation": partial(generation_row, rows=16),
    "steered_generation_one_row": partial(generation_row, rows=1),
    "activation_harvest": harvest_row,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    parser.add_argument("--only", choices=ROWS, help="one row")
    parser.add_argument("--pairs", type=int, default=3, help="how often each side runs")
    asked = parser.parse_args(arguments)
    with contextlib.redirect_stdout(sys.stderr):
        model = load()
        rows = {}
        for name in [asked.only] if asked.only else ROWS:
            print(f"{name}: {asked.pairs} pairs ...", flush=True)
            rows[name] = ROWS[name](model, pairs=asked.pairs)
    if asked.json:
        print(json.dumps(rows, indent=1))
        return
    for name, row in rows.items():
        print(name + "".join(f"\n    {key:<26}{value:10.4g}" for key, value in row.items()))


if __name__ == "__main__":
    main()
