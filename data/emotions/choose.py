"""Chooses layer and dose of the two dials of lesson 3.2: `python -m data.emotions.choose`.

For each of four folds: its words are put aside. The others are held out in three folds of their
own, in turn, and scored after sentences of the *fitting* frames. What is written to `choices.json`
is the mean angular error of each setting in each fold, in degrees. Eight minutes on one core.
"""

from pathlib import Path

import torch

from data.emotions import task as emotions_task
from data.training import write_json
from utils.models import load
from utils.steering import typical_norm
from utils.writing import circle

HERE = Path(__file__).parent
LAYERS, DOSES = (11, 14, 17, 20), (0.25, 0.5)
TURNS = torch.arange(0, 360, 60.0)


def only(words: emotions_task.EmotionWords, kept: torch.Tensor) -> emotions_task.EmotionWords:
    """The words of which `kept` is true."""
    rows = kept.nonzero()[:, 0].tolist()
    return emotions_task.EmotionWords(
        [words.words[i] for i in rows],
        words.angles[kept],
        [words.groups[i] for i in rows],
        [words.quadrants[i] for i in rows],
    )


def main() -> None:
    model, words = load(), emotions_task.read_words()
    frames = emotions_task.read_frames("fit")
    vectors = emotions_task.read_vectors()
    columns = circle.first_tokens(model, words.words)
    frames = frames[::17]
    plain = circle.steered_logits(model, frames, columns)
    some = emotions_task.sentences(words.words[::5], emotions_task.read_frames("fit")[::12])
    norms = {layer: typical_norm(model, some, layer=layer) for layer in LAYERS}
    errors: dict[str, list[float]] = {}
    for held_out in circle.folds(words, n=4, generator=torch.Generator().manual_seed(0)):
        training, rows = only(words, ~held_out), (~held_out).nonzero()[:, 0]
        inner = circle.folds(training, n=3, generator=torch.Generator().manual_seed(0))
        for kind in ("word", "story"):
            for layer in LAYERS:
                here = vectors[f"{kind} {layer}"][rows]
                axes = [circle.circle_axes(here[~out], training.angles[~out]) for out in inner]
                for dose in DOSES:
                    changes = (
                        dose
                        * norms[layer]
                        * torch.cat([circle.towards(plane, TURNS) for plane in axes])
                    )
                    steered = circle.steered_logits(
                        model, frames, columns, changes=changes, layer=layer
                    )
                    each = (steered - plain).mean(1).unflatten(0, (len(inner), len(TURNS)))
                    gained = torch.zeros(len(TURNS), len(rows))
                    for one, out in zip(each, inner, strict=True):
                        gained[:, out] = one[:, rows[out]]
                    found = circle.measured_angle(gained, training.angles)
                    error = circle.angular_error(found, TURNS).mean().item()
                    errors.setdefault(f"{kind}, {layer}, {dose}", []).append(error)
        print(f"fold {len(errors[f'word, {LAYERS[0]}, {DOSES[0]}'])} done", flush=True)
    write_json(HERE / "choices.json", errors)


if __name__ == "__main__":
    main()
