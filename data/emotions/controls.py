"""Fifty planes beside each dial of lesson 3.2: `python -m data.emotions.controls`.

Each has the dial's own valence, fitted without the words held out, and an arbitrary second axis:
half of them random directions, half random mixes of the training words' vectors. `controls.json`
has the error of each, with the better of its two signs. Six turns. Fifteen minutes on one core.
"""

import json
from pathlib import Path

import torch

from data.emotions import task as emotions_task
from data.training import write_json
from utils.models import load
from utils.steering import typical_norm
from utils.writing import circle

HERE = Path(__file__).parent
TURNS, N = torch.arange(0, 360, 60.0), 25


def main() -> None:
    model, words = load(), emotions_task.read_words()
    vectors = emotions_task.read_vectors()
    frames = emotions_task.read_frames("score")
    columns = circle.first_tokens(model, words.words)
    plain = circle.steered_logits(model, frames, columns)
    some = emotions_task.sentences(words.words[::5], emotions_task.read_frames("fit")[::12])
    choices = json.loads((HERE / "choices.json").read_text(encoding="utf-8"))
    folds = circle.folds(words, n=4, generator=torch.Generator().manual_seed(0))
    back, kept = -torch.arange(len(TURNS)) % len(TURNS), {}

    def error(gained) -> float:
        found = circle.measured_angle(gained, words.angles)
        return circle.angular_error(found, TURNS).mean().item()

    for kind in ("word", "story"):
        own = {key: sum(each) for key, each in choices.items() if key.startswith(kind)}
        _, layer, dose = min(own, key=own.get).split(", ")
        here, layer = vectors[f"{kind} {layer}"], int(layer)
        size = float(dose) * typical_norm(model, some, layer=layer)
        generator = torch.Generator().manual_seed(0)
        for second in ("a random direction", "a mix of the vectors"):
            errors = []
            for _ in range(N):
                drawn = torch.randn(model.cfg.d_model, generator=generator)
                weights, planes = torch.randn(len(words.words), generator=generator), []
                for held_out in folds:
                    pair = circle.circle_axes(here[~held_out], words.angles[~held_out]).clone()
                    mixed = weights[~held_out] @ here[~held_out]
                    pair[1] = mixed if "mix" in second else drawn
                    planes.append(circle.towards(circle.orthonormal(pair), TURNS))
                steered = circle.steered_logits(
                    model, frames, columns, changes=size * torch.cat(planes), layer=layer
                )
                gains = (steered - plain).mean(1).unflatten(0, (len(folds), len(TURNS)))
                gained = torch.zeros(len(TURNS), len(words.words))
                for held_out, each in zip(folds, gains, strict=True):
                    gained[:, held_out] = each[:, held_out]
                errors.append(round(min(error(gained), error(gained[back])), 2))
            kept[f"{kind}, {second}"] = errors
            print(kind, second, sum(errors) / N, min(errors), flush=True)
            write_json(HERE / "controls.json", kept)


if __name__ == "__main__":
    main()
