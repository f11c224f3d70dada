"""Chooses position, layer and dose of lesson 3.2: `python -m data.emotions.choose`.

For each of four folds: its words are put aside. The others are held out in three folds of their
own, in turn, and scored after sentences of the *fitting* frames. What is written to `choices.json`
is the mean angular error of each setting in each fold, in degrees. Eight minutes on one core.
"""

from pathlib import Path

import torch

from data.emotions import task as emotions_task
from data.training import write_json
from utils import activations
from utils.models import load
from utils.steering import typical_norm
from utils.writing import circle

HERE = Path(__file__).parent
POSITIONS = {"full stop": -1, "word": -2}
LAYERS, DOSES = (11, 14, 17, 20), (0.25, 0.5, 1.0)
TURNS = torch.arange(0, 360, 60.0)


def only(words: emotions_task.Words, kept: torch.Tensor) -> emotions_task.Words:
    """The words of which `kept` is true."""
    rows = kept.nonzero()[:, 0].tolist()
    return emotions_task.Words(
        [words.words[i] for i in rows],
        words.angles[kept],
        [words.groups[i] for i in rows],
        [words.quadrants[i] for i in rows],
    )


def main() -> None:
    model, words = load(), emotions_task.read_words()
    frames = emotions_task.read_frames("fit")
    resid = activations.activations(
        model,
        emotions_task.sentences(words.words, frames),
        position=list(POSITIONS.values()),
        layers=max(LAYERS),
        batch_size=60,
    )
    n_words = len(words.words)
    vectors = [[circle.emotion_vectors(each, n_words) for each in layers] for layers in resid]
    columns = circle.first_tokens(model, words.words)
    frames = frames[::17]
    plain = circle.steered_logits(model, frames, columns)
    some = emotions_task.sentences(words.words[::5], emotions_task.read_frames("fit")[::12])
    norms = {layer: typical_norm(model, some, layer=layer) for layer in LAYERS}
    errors: dict[str, list[float]] = {}
    for held_out in circle.folds(words, n=4, generator=torch.Generator().manual_seed(0)):
        training, rows = only(words, ~held_out), (~held_out).nonzero()[:, 0]
        inner = circle.folds(training, n=3, generator=torch.Generator().manual_seed(0))
        for p, position in enumerate(POSITIONS):
            for layer in LAYERS:
                axes = [
                    circle.circle_axes(vectors[p][layer][rows[~out]], training.angles[~out])
                    for out in inner
                ]
                for dose in DOSES:
                    gained = torch.zeros(len(TURNS), len(rows))
                    for plane, out in zip(axes, inner, strict=True):
                        changes = dose * norms[layer] * circle.towards(plane, TURNS)
                        steered = circle.steered_logits(
                            model, frames, columns, changes=changes, layer=layer
                        )
                        gained[:, out] = (steered - plain).mean(1)[:, rows[out]]
                    found = circle.measured_angle(gained, training.angles)
                    error = circle.angular_error(found, TURNS).mean().item()
                    errors.setdefault(f"{position}, {layer}, {dose}", []).append(error)
    write_json(HERE / "choices.json", errors)


if __name__ == "__main__":
    main()
