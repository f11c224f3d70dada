"""Have SmolLM2 answer many requests, in the background, and keep the answers' tokens."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from utils.guards import count, guarded, number

BATCH = 192  # answers written side by side


@guarded(n=count(), temperature=number(low=0, over=True))
def one_of_the_likeliest(
    tokens: torch.Tensor, logits: torch.Tensor, *, n: int = 40, temperature: float = 0.8
) -> torch.Tensor:
    """Logits whose largest is drawn from the n likeliest; several times faster than `do_sample`."""
    top, index = logits.float().topk(n)
    drawn = (top / temperature).softmax(-1).multinomial(1)
    return torch.zeros_like(logits).scatter_(1, index.gather(1, drawn), 1.0)


def read_tokens(texts: Path) -> list[torch.Tensor]:
    """The token ids of each text, without BOS.

    Raises:
        ValueError: the file is damaged, or holds something else.
    """
    try:
        kept = load_file(texts)
        return list(kept["tokens"].int().split(kept["lengths"].tolist()))
    except (SafetensorError, KeyError, RuntimeError):
        raise ValueError(f"{texts} is damaged or holds no texts: move it away first.") from None


@guarded(minutes=number(low=0, over=True), n_tokens=count())
@torch.no_grad()
def write_answers(
    texts: Path,
    prompts: Callable[[int, int], list[str]],
    *,
    minutes: float,
    n_tokens: int = 112,
    device: str = "cpu",
) -> None:
    """Have SmolLM2 answer requests for so many minutes; keep the answers' tokens.

    bfloat16, temperature .8, one of the 40 likeliest tokens. A batch is kept when done, so the run
    may be stopped; started again, it goes on with the next seed.

    Args:
        texts: the file to begin or to go on with.
        prompts: gives so many requests for a seed.

    Raises:
        ValueError: what is in the file cannot be read, or `prompts` gives another number.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessorList

    from utils.fetch import fetch

    rows = read_tokens(texts) if texts.exists() else []
    texts.parent.mkdir(parents=True, exist_ok=True)
    asked_for = prompts(BATCH, len(rows) // BATCH)
    if len(asked_for) != BATCH:
        raise ValueError(f"`prompts` gave {len(asked_for)} requests where {BATCH} were asked for.")
    folder = str(fetch())
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval().to(device)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    stop = time.time() + 60 * minutes
    while time.time() < stop:
        seed = len(rows) // BATCH
        torch.manual_seed(seed)
        chat = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
        asked = tokenizer(
            [chat.format(p) for p in prompts(BATCH, seed)], return_tensors="pt", padding=True
        ).to(device)
        told = model.generate(
            **asked,
            max_new_tokens=n_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([one_of_the_likeliest]),
            cache_implementation="static",
            disable_compile=True,
            pad_token_id=end,
            eos_token_id=end,
        )[:, asked["input_ids"].shape[1] :].cpu()
        for row in told:
            done = (row == end).nonzero()
            rows.append(row[: done[0, 0] if len(done) else len(row)].int())
        lengths = torch.tensor([len(r) for r in rows], dtype=torch.int32)
        part = texts.with_suffix(".part")
        save_file({"tokens": torch.cat(rows).to(torch.uint16), "lengths": lengths}, part)
        part.replace(texts)
        print(f"{len(rows)} texts, {int(lengths.sum()):,} tokens", flush=True)
