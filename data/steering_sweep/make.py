"""What SmolLM2 writes when it is steered or asked, and what the text costs, for lesson 3.1.

make data D=steering_sweep      # 55 minutes on one core
"""

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from data.concepts import task as concepts
from utils.generation import sample
from utils.models import load
from utils.steering import at_dose, random_directions, steer, typical_norm
from utils.writing import contrast
from utils.writing.fluency import token_losses

HERE = Path(__file__).parent
LAYERS, DOSES = (5, 10, 15, 20, 25), (0.1, 0.2, 0.4, 0.7)  # of the sweep
N_TOKENS = 20
END = 30  # the stream after the last block
LAYER, DOSE = 20, 0.3  # what lesson 3.1's rule takes from sweep.csv
ON_CURVE = (0.1, 0.2, 0.3, 0.4)
N_RANDOM, N_TURNED = 12, 36  # controls: random directions; half-turned vectors, 12 a concept


def rows_of(model, openings: list[str], *, before: str = concepts.START) -> torch.Tensor:
    """Token ids, [opening, pos]; all openings have six tokens."""
    return torch.cat([model.to_tokens(before + text, prepend_bos=False) for text in openings])


def asked(wanted: str) -> str:
    return concepts.REQUEST.format(wanted)


def directions(model, layer: int) -> dict[str, torch.Tensor]:
    found = {}
    for concept in concepts.CONCEPTS:
        yes, no = zip(*concepts.pairs(concept, part="fit"), strict=True)
        found[concept] = contrast.contrast_vectors(model, yes, no, layers=[layer])[0]
    return found


def write(model, rows, change, *, layer: int, taken=None, seed: int = 0, start: int = 1):
    """New tokens of steered rows; `taken` is added after the last block."""
    at = slice(start, None)
    taken = torch.zeros_like(change) if taken is None else taken
    with (
        steer(model, change[:, None], layer=layer, positions=at),
        steer(model, taken[:, None], layer=END, positions=at),
    ):
        return sample(model, rows, n_tokens=N_TOKENS, generator=torch.Generator().manual_seed(seed))


def sweep(model) -> Iterator[tuple]:
    """Five layers, four doses, three concepts, the direct way whole and cut; eight openings.

    First the same rows unsteered, with the same random numbers.
    """
    openings = concepts.openings(part="choose")
    bare = rows_of(model, openings)
    n, half = len(bare), len(bare) * len(DOSES)
    rows = bare.repeat(2 * len(DOSES), 1)

    def written(concept, layer, change):
        taken = -change
        taken[:half] = 0
        for seed in range(2):
            new = write(model, rows, change, layer=layer, taken=taken, seed=seed)
            losses = token_losses(model, rows, new).mean(1).tolist()
            texts = model.tokenizer.batch_decode(new)
            for i, (loss, text) in enumerate(zip(losses, texts, strict=True)):
                way, dose = "cut" if i >= half else "whole", DOSES[i % half // n]
                yield concept, layer, way, dose, seed, i % n, f"{loss:.3f}", text
        print("layer", layer, concept, flush=True)

    yield from written("", 0, torch.zeros(len(rows), model.cfg.d_model))
    for layer in LAYERS:
        norm = typical_norm(model, openings, layer=layer)
        for concept, direction in directions(model, layer).items():
            vectors = torch.stack([at_dose(direction, dose, norm=norm) for dose in DOSES])
            yield from written(concept, layer, vectors.repeat_interleave(n, 0).repeat(2, 1))


def controls(model) -> Iterator[tuple[str, str, torch.Tensor]]:
    """(kind, concept, direction): random directions, and contrast vectors of half-turned pairs."""
    generator = torch.Generator().manual_seed(0)
    for direction in random_directions(
        N_RANDOM, torch.ones(model.cfg.d_model), generator=generator
    ):
        yield "random", "", direction
    for i in range(N_TURNED):
        concept = concepts.CONCEPTS[i % 3]
        halves = contrast.half_turned(concepts.pairs(concept, part="fit"), generator=generator)
        yield "turned", concept, contrast.contrast_vectors(model, *halves, layers=[LAYER])[0]


def samples(model, keep: Callable[[str, int], bool] = lambda name, first: True) -> Iterator[tuple]:
    """Steered, asked, both and controls, on 24 + 24 openings, two samples each.

    `keep(method, first sample)` says which runs to make.
    """
    chosen = concepts.openings(part="choose")
    openings = concepts.openings(part="test") + concepts.openings(part="confirm")
    n, d_model = len(openings), model.cfg.d_model
    norm = typical_norm(model, chosen, layer=LAYER)
    bare, neutral = (
        rows_of(model, openings, before=before)
        for before in (concepts.START, asked(concepts.WANTED["neutral"]))
    )
    wanted = {
        c: rows_of(model, openings, before=asked(concepts.WANTED[c])) for c in concepts.CONCEPTS
    }
    found = directions(model, LAYER)
    doses = {c: {d: at_dose(found[c], d, norm=norm) for d in ON_CURVE} for c in found}
    nothing = torch.zeros(d_model)
    done = 0

    def two(name, concept, dose, rows, change, *, seed=0, first=0, layer=LAYER):
        """Two samples of each opening; `change` is one vector, or one for each sample."""
        if not keep(name, first):
            return
        change = change.expand(2, d_model).repeat_interleave(n, 0)
        start = 1 + rows.shape[1] - bare.shape[1]  # the opening and the text, wherever they are
        new = write(model, rows.repeat(2, 1), change, layer=layer, seed=seed, start=start)
        yield from measured(name, concept, dose, new, first=first)

    def measured(name, concept, dose, new, *, first=0):
        nonlocal done
        own, other = (
            token_losses(model, before.repeat(2, 1), new).mean(1).tolist()
            for before in (bare, neutral)
        )
        texts = model.tokenizer.batch_decode(new)
        for i, (a, b, text) in enumerate(zip(own, other, texts, strict=True)):
            yield name, concept, dose, first + i // n, i % n, f"{a:.3f}", f"{b:.3f}", text
        done += 1
        print(done, name, concept, dose, flush=True)

    for seed in (0, 1):
        yield from two("unsteered", "", 0.0, bare, nothing, seed=seed, first=2 * seed)
    for c in concepts.CONCEPTS:
        yield from two("request", c, 0.0, wanted[c], nothing)
    for seed in (0, 1):
        yield from two("neutral request", "", 0.0, neutral, nothing, seed=seed, first=2 * seed)
    for dose in ON_CURVE:
        for c in concepts.CONCEPTS:
            yield from two("CAA", c, dose, bare, doses[c][dose])
    kinds = list(controls(model))
    for i in range(0, len(kinds), 2):
        (name, _, one), (_, _, other) = kinds[i : i + 2]
        change = torch.stack([at_dose(each, DOSE, norm=norm) for each in (one, other)])
        yield from two(name, "", DOSE, bare, change, first=i if name == "random" else i - N_RANDOM)
    for c in concepts.CONCEPTS:
        yield from two("neutral request + CAA", c, 0.2, neutral, doses[c][0.2])
    for c in concepts.CONCEPTS:
        yield from two("request + CAA", c, 0.2, wanted[c], doses[c][0.2])
    eight = rows_of(model, chosen)
    text = torch.cat([eight, sample(model, eight, n_tokens=N_TOKENS)], 1)
    for c in concepts.CONCEPTS:
        vector = doses[c][DOSE]
        shift = contrast.shift_at_end(model, text, vector[None], layer=LAYER)[0]
        yield from two("shift at the end", c, DOSE, bare, shift, layer=END)
        yield from two("vector at the end", c, DOSE, bare, vector, layer=END)


def save(name: str, columns: str, rows: Iterator[tuple]) -> None:
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.split())
        writer.writerows(rows)


def main() -> None:
    model = load(device="cpu")
    if "texts" not in sys.argv:
        save("sweep.csv", "concept layer way dose seed opening loss text", sweep(model))
    if "sweep" not in sys.argv:
        columns = "method concept dose sample opening loss after_neutral text"
        save("texts.csv", columns, samples(model))


if __name__ == "__main__":
    with torch.no_grad():
        main()
