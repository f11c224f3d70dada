"""Gemma's rows for the words of lesson 3.3, and SmolLM2's steering vector in the whole of Gemma.

make data D=gemma_rows               # both steps, about 20 minutes on one core
python -m data.gemma_rows.make rows
python -m data.gemma_rows.make steer

It fetches Gemma-3-270M (238 MB). By that you accept Gemma's terms: ai.google.dev/gemma/terms.
"""

import argparse
import json
import re
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from data.concepts import task as concepts
from data.gemma_rows import task
from utils import activations, steering
from utils.models import load
from utils.writing import geometry

FOLDER = Path(__file__).parent
FEWEST = 13  # occurrences of a word: as many words as stay below 6 MB
CONTINUED = 0.2  # of a word's occurrences, at most so many may go on with a letter
LAYER, RIDGE = 24, 0.1  # of SmolLM2, from which the vector is taken; of the map
INTO, DOSES = (1, 3, 6, 9, 12), (0.5, 0.1, 0.25)
DRAWS = 20  # of each control, at the last dose alone


def count_words(tokenizer) -> dict[str, int]:
    """Whole words with a space before them that are one token, and how often they occur."""
    spelt = {i: token for token, i in tokenizer.get_vocab().items()}
    letter = torch.tensor([bool(re.match("[A-Za-z']", spelt[i])) for i in range(len(spelt))])
    times, goes_on = torch.zeros(2, len(spelt))
    for name in ("stories", "chat"):
        text = load_file(FOLDER.parent / name / "texts.safetensors")["tokens"].long()
        times.index_add_(0, text[:-1], torch.ones(len(text) - 1))
        goes_on.index_add_(0, text[:-1], letter[text[1:]].float())
    counts = {
        spelt[i]: int(times[i])
        for i in times.argsort(descending=True, stable=True).tolist()
        if re.fullmatch("Ġ[A-Za-z]{3,}", spelt[i]) and times[i] >= FEWEST
    }
    ids = tokenizer.get_vocab()
    return {t: n for t, n in counts.items() if goes_on[ids[t]] / n < CONTINUED}


def make_rows() -> None:
    counts = count_words(load().tokenizer)
    gemma = load("gemma3-270m")
    known = geometry.vocabulary(gemma)
    counts = {token: n for token, n in counts.items() if token in known}
    rows = geometry.rows_of(gemma, list(counts)).half().contiguous()
    save_file({"embeddings": rows}, FOLDER / "rows.safetensors", metadata={"notice": task.TERMS})
    text = json.dumps(counts, ensure_ascii=False, indent=0)
    (FOLDER / "words.json").write_text(text + "\n", encoding="utf-8")


class LogOdds:
    """log p(first) - log p(second) after texts: two logits' difference, so no softmax is needed."""

    def __init__(self, model, texts: list[str], pairs: list[tuple[str, str]]):
        rows = [model.to_tokens(text)[0] for text in texts]
        self.model, self.last = model, torch.tensor([len(row) - 1 for row in rows])
        self.tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        vocab, W = geometry.vocabulary(model), model.W_E.detach()
        first, second = (W[[vocab[pair[i]] for pair in pairs]] for i in (0, 1))
        self.between = first - second

    @torch.no_grad()
    def __call__(self) -> Float[Tensor, " pair"]:
        kept = {}
        hooks = [("ln_final.hook_out", lambda x, hook: kept.update(x=x))]
        self.model.run_with_hooks(self.tokens, fwd_hooks=hooks)
        return (kept["x"][torch.arange(len(self.last)), self.last] @ self.between.T).mean(0)


def make_steering() -> None:
    data, small, gemma = task.words(), load(), load("gemma3-270m")
    pairs = task.word_pairs(dict(zip(data.tokens, data.counts.tolist(), strict=True)))
    unrated = task.ratings(data.tokens) == 0
    A, B = geometry.rows_of(small, data.tokens)[unrated], data.gemma[unrated]
    counts, n = data.counts[unrated], int(unrated.sum())

    def mean_difference(model) -> Tensor:
        sides = zip(*concepts.pairs("sentiment", part="fit"), strict=True)
        first, second = (activations.activations(model, list(side)) for side in sides)
        return (first - second).mean(1)

    v = mean_difference(small)[LAYER]
    own = mean_difference(gemma)[round(gemma.cfg.n_layers * LAYER / small.cfg.n_layers)]
    T = geometry.fit_map(A, B, ridge=RIDGE)
    said, unsaid = (geometry.read_both(u, u @ T, A, B, k=50)[0] for u in (v, -v))

    def by_wrong_maps(frequency: bool) -> Tensor:
        found = []
        for seed in range(DRAWS):
            generator = torch.Generator().manual_seed(seed)
            other = torch.randperm(n, generator=generator)
            if frequency:
                other = geometry.like_frequency(counts, generator=generator)
            found.append(v @ geometry.fit_map(A, B[other], ridge=RIDGE))
        return torch.stack(found)

    generator = torch.Generator().manual_seed(0)
    vectors = {
        "moved": v[None] @ T,
        "moved, Procrustes": v[None] @ geometry.procrustes(A, B),
        "minus it": -v[None] @ T,
        "its own": own[None],
        "bag, moved": geometry.bag_of_words(small, concepts.pairs("sentiment", part="fit")) @ T,
        "bag, own": geometry.bag_of_words(gemma, concepts.pairs("sentiment", part="fit")),
        "the words it says": (B[said].mean(0) - B[unsaid].mean(0))[None],
        "random": steering.random_directions(DRAWS, v @ T, generator=generator),
        "shuffled": by_wrong_maps(False),
        "like frequency": by_wrong_maps(True),
    }
    measure, found = LogOdds(gemma, concepts.openings(part="test"), pairs), []
    for layer in INTO:
        norm = steering.typical_norm(gemma, concepts.openings(part="choose"), layer=layer)
        for dose in DOSES:
            effects = {
                name: geometry.steering_effects(gemma, each, measure, layer=layer, norm=dose * norm)
                for name, each in vectors.items()
                if len(each) == 1 or dose == DOSES[-1]
            }
            end = gemma.cfg.n_layers  # the same vector after the last block: the direct way
            with steering.steer(gemma, steering.at_dose(v @ T, dose, norm=norm), layer=end):
                direct = measure()
            effects["direct way"] = (direct - measure())[None]
            means = {name: f"{each.mean():.2f}" for name, each in effects.items()}
            print(layer, dose, f"{norm:.0f}", means, flush=True)
            kept = {
                name: [[round(x, 3) for x in row] for row in each.tolist()]
                for name, each in effects.items()
            }
            found.append({"layer": layer, "dose": dose, "norm": round(norm, 1), "effects": kept})
    text = json.dumps({"pairs": pairs, "from layer": LAYER, "runs": found}, ensure_ascii=False)
    (FOLDER / "steering.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="?", choices=["rows", "steer"])
    step = parser.parse_args().step
    if step != "steer":
        make_rows()
    if step != "rows":
        make_steering()
