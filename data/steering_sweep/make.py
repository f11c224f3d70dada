"""What SmolLM2 writes under every method of lesson 3.1, at five doses, and what the text costs.

make data D=steering_sweep      # 40 minutes on one core
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import torch

from data.concepts import task as concepts
from utils.generation import sample
from utils.models import load
from utils.steering import at_dose, random_directions, steer, typical_norm
from utils.writing import contrast
from utils.writing.fluency import repetition, token_losses

FILE = Path(__file__).parent / "texts.csv"
LAYER = 25  # lesson 3.1 chooses it, on pairs
DOSES = (0.1, 0.2, 0.3, 0.5, 0.7)
SEEDS = (0, 1, 2)
N_TOKENS = 20
METHODS = ("CAA", "probe", "pair 0", "pair 10", "pair 20")
N_RANDOM = 5
REQUEST = "<|im_start|>user\nWrite {}.<|im_end|>\n<|im_start|>assistant\n"
WANTED = {
    "sentiment": "a very happy and positive text",
    "formality": "a very formal and official text",
    "sea": "a text about the sea",
}
COLUMNS = ("method", "concept", "dose", "seed", "opening", "loss", "two", "three", "text")


def rows_of(model, openings: list[str], *, before: str = "<|im_start|>") -> torch.Tensor:
    """Token ids, [opening, pos]; all openings have six tokens."""
    return torch.cat([model.to_tokens(before + text, prepend_bos=False) for text in openings])


def vectors(model, openings: list[str]) -> Iterator[tuple[str, str, float, torch.Tensor]]:
    """(method, concept, dose, vector) for every steered run; a random direction has no concept."""
    norm = typical_norm(model, openings[:8], layer=LAYER)
    named = {}
    for concept in concepts.CONCEPTS:
        fit = concepts.pairs(concept, part="fit")
        texts = [yes for yes, _ in fit] + [no for _, no in fit]
        found = contrast.mean_activations(model, texts, layers=[LAYER])[0]
        for method in METHODS:
            found_direction = contrast.direction(found[: len(fit)], found[len(fit) :], method)
            named[method, concept] = found_direction
    generator = torch.Generator().manual_seed(0)
    for i, stray in enumerate(
        random_directions(N_RANDOM, named["CAA", "sea"], generator=generator)
    ):
        named[f"random {i}", ""] = stray
    for (method, concept), each in named.items():
        for dose in DOSES:
            yield method, concept, dose, at_dose(each, dose, norm=norm)


def main() -> None:
    model = load(device="cpu")
    openings = concepts.openings(part="choose") + concepts.openings(part="test")
    bare = rows_of(model, openings)

    def write(writer, method: str, concept: str, dose: float, rows, vector=None) -> None:
        change = torch.zeros(model.cfg.d_model) if vector is None else vector
        for seed in SEEDS:
            with steer(model, change, layer=LAYER, positions=slice(1, None)):
                new = sample(
                    model, rows, n_tokens=N_TOKENS, generator=torch.Generator().manual_seed(seed)
                )
            losses = token_losses(model, bare, new).mean(1)
            costs = zip(losses, repetition(new, n=2), repetition(new, n=3), strict=True)
            texts = model.tokenizer.batch_decode(new)
            for i, ((loss, two, three), text) in enumerate(zip(costs, texts, strict=True)):
                numbers = f"{loss:.4f}", f"{two:.4f}", f"{three:.4f}"
                writer.writerow([method, concept, dose, seed, i, *numbers, text])
        print(method, concept, dose, flush=True)

    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        write(writer, "unsteered", "", 0.0, bare)
        for concept, wanted in WANTED.items():
            asked = rows_of(model, openings, before=REQUEST.format(wanted))
            write(writer, "request", concept, 0.0, asked)
        for method, concept, dose, vector in vectors(model, openings):
            write(writer, method, concept, dose, bare, vector)


if __name__ == "__main__":
    main()
