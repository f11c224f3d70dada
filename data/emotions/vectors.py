"""Reads the words and the stories of lesson 3.2: `python -m data.emotions.vectors`.

Writes `vectors.safetensors`: for each of the 26 words a vector from sixty sentences, read at the
word ("word"), and one from forty stories, averaged over all tokens from `START` on ("story"), at
several layers. In bfloat16; five minutes on one core.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from data.emotions import task as emotions_task
from utils import activations
from utils.models import load
from utils.writing import circle

HERE = Path(__file__).parent
LAYERS, START = (0, 11, 14, 17, 20), 20


@torch.no_grad()
def main() -> None:
    words = emotions_task.read_words().words
    model = load().to(torch.bfloat16)
    frames = emotions_task.read_frames("fit")
    stories = emotions_task.read_stories()
    texts = [text for word in words for text in stories[word]]
    names = {f"blocks.{layer}.hook_resid_pre": layer for layer in LAYERS}
    rows = [model.to_tokens(text)[0] for text in texts]
    means = {layer: torch.zeros(len(rows), model.cfg.d_model) for layer in LAYERS}
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(rows), 26):
        chosen = by_length[start : start + 26]
        tokens = torch.nn.utils.rnn.pad_sequence([rows[i] for i in chosen], batch_first=True)
        _, cache = model.run_with_cache(
            tokens, names_filter=lambda name: name in names, stop_at_layer=max(LAYERS) + 1
        )
        for name, layer in names.items():
            for i, resid in zip(chosen, cache[name], strict=True):
                means[layer][i] = resid[START : len(rows[i])].float().mean(0)
        print(f"{start + len(chosen)} of {len(rows)} stories", flush=True)
    found = {
        f"story {layer}": circle.emotion_vectors(resid, len(words))
        for layer, resid in means.items()
    }
    save_file({name: each.half() for name, each in found.items()}, HERE / "vectors.safetensors")
    sentences = emotions_task.sentences(words, frames)
    resid = activations.activations(
        model, sentences, position=-2, layers=max(LAYERS), batch_size=120
    )
    found |= {f"word {layer}": circle.emotion_vectors(resid[layer], len(words)) for layer in LAYERS}
    save_file({name: each.half() for name, each in found.items()}, HERE / "vectors.safetensors")


if __name__ == "__main__":
    main()
