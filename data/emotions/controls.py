"""Controls of the dials of lesson 3.2: `python -m data.emotions.controls`.

`controls.safetensors` has the gains of held-out words under other ways of steering, [turn, word],
and `controls.json` the errors of planes that have the dial's own valence, fitted without the words
held out, and an arbitrary second axis: half of them random directions, half random mixes of the
training words' vectors, each with the better of its two signs, at six turns. `folds.json` has the
errors of the dials when words are held out in ten other draws of four folds. Half an hour on one
core.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from data.emotions import task as emotions_task
from data.training import write_json
from utils.models import load
from utils.steering import typical_norm
from utils.writing import circle

HERE = Path(__file__).parent
SIX, TWELVE, N, LAYER, DOSE = torch.arange(0, 360, 60.0), torch.arange(0, 360, 30.0), 25, 20, 0.25


def shuffled(words: emotions_task.EmotionWords, generator: torch.Generator) -> torch.Tensor:
    """Angles handed on from group to group, so that the words of a group stay alike."""
    groups = list(dict.fromkeys(words.groups))
    each = {g: [words.angles[i] for i, h in enumerate(words.groups) if h == g] for g in groups}
    order = [groups[i] for i in torch.randperm(len(groups), generator=generator).tolist()]
    taken_from, seen, found = dict(zip(groups, order, strict=True)), dict.fromkeys(groups, 0), []
    for group in words.groups:
        own = each[taken_from[group]]
        found.append(own[seen[group] % len(own)])
        seen[group] += 1
    return torch.stack(found)


class Steerer:
    """Steers SmolLM2 and keeps what the words' logits gain."""

    def __init__(self):
        self.model, self.words = load(), emotions_task.read_words()
        self.vectors, self.frames = emotions_task.read_vectors(), emotions_task.read_frames("score")
        self.columns = circle.first_tokens(self.model, self.words.words)
        self.plain = circle.steered_logits(self.model, self.frames, self.columns)
        fit = emotions_task.read_frames("fit")[::12]
        some = emotions_task.sentences(self.words.words[::5], fit)
        end = self.model.cfg.n_layers
        self.size = {at: DOSE * typical_norm(self.model, some, layer=at) for at in (LAYER, end)}
        self.folds = circle.folds(self.words, n=4, generator=torch.Generator().manual_seed(0))

    def gains(self, changes, layer, direct=True):
        """[change, word]."""
        how = {"changes": changes, "layer": layer, "direct": direct}
        steered = circle.steered_logits(self.model, self.frames, self.columns, **how)
        return (steered - self.plain).mean(1)

    def dial(self, name, layer, *, direct=True, angles=None, folds=None, turns=TWELVE):
        """The held-out dial from vectors of this name."""
        return circle.held_out_dial(
            lambda changes: self.gains(changes, layer, direct),
            self.vectors[name],
            self.words.angles if angles is None else angles,
            folds or self.folds,
            turns,
            size=self.size[layer],
        )

    def error(self, gained, turns) -> float:
        """The mean angular error."""
        found = circle.measured_angle(gained, self.words.angles)
        return circle.angular_error(found, turns).mean().item()


def ways_of_steering(steerer: Steerer) -> dict[str, torch.Tensor]:
    """The controls of the main table."""
    words, end, kept = steerer.words, steerer.model.cfg.n_layers, {}
    quadrants = [torch.tensor([own == i for own in words.quadrants]) for i in (1, 2, 3, 4)]
    nearest = 45 * (words.angles / 45).round() % 360  # the abstract's eight places
    for kind in ("word", "story"):
        here, bias = f"{kind} {LAYER}", f"{kind} 0"
        kept |= {
            f"{kind}, embeddings, after the last block": steerer.dial(bias, end),
            f"{kind}, embeddings, at layer 20": steerer.dial(bias, LAYER),
            f"{kind}, embeddings, at layer 20, cut": steerer.dial(bias, LAYER, direct=False),
            f"{kind}, the dial's axes, after the last block": steerer.dial(here, end),
            f"{kind}, quadrant, the dial": steerer.dial(here, LAYER, folds=quadrants),
            f"{kind}, quadrant, cut": steerer.dial(here, LAYER, folds=quadrants, direct=False),
            f"{kind}, quadrant, embeddings": steerer.dial(bias, end, folds=quadrants),
            f"{kind}, rounded angles": steerer.dial(here, LAYER, angles=nearest),
        }
    for seed in range(3):
        drawn = torch.randn(2, 576, generator=torch.Generator().manual_seed(seed))
        changes = steerer.size[LAYER] * circle.towards(circle.orthonormal(drawn), TWELVE)
        for name, direct in (("", True), (", cut", False)):
            kept[f"random {seed}{name}"] = steerer.gains(changes, LAYER, direct)
    generator = torch.Generator().manual_seed(0)
    for i in range(20):
        angles = shuffled(words, generator)
        kept[f"shuffled {i}"] = steerer.dial("word 20", LAYER, angles=angles, turns=SIX)
    return kept


def arbitrary(steerer: Steerer) -> dict[str, list[float]]:
    """Errors of planes with an arbitrary second axis."""
    words, vectors, kept = steerer.words, steerer.vectors, {}
    back = -torch.arange(len(SIX)) % len(SIX)
    for kind in ("word", "story"):
        here, generator = vectors[f"{kind} {LAYER}"], torch.Generator().manual_seed(0)
        for second in ("a random direction", "a mix of the vectors"):
            errors = []
            for _ in range(N):
                drawn = torch.randn(steerer.model.cfg.d_model, generator=generator)
                weights, planes = torch.randn(len(words.words), generator=generator), []
                for held_out in steerer.folds:
                    pair = circle.circle_axes(here[~held_out], words.angles[~held_out]).clone()
                    mixed = weights[~held_out] @ here[~held_out]
                    pair[1] = mixed if "mix" in second else drawn
                    planes.append(circle.towards(circle.orthonormal(pair), SIX))
                every = steerer.gains(steerer.size[LAYER] * torch.cat(planes), LAYER)
                gained = torch.zeros(len(SIX), len(words.words))
                for held_out, each in zip(steerer.folds, every.split(len(SIX)), strict=True):
                    gained[:, held_out] = each[:, held_out]
                both = steerer.error(gained, SIX), steerer.error(gained[back], SIX)
                errors.append(round(min(both), 2))
            kept[f"{kind}, {second}"] = errors
            print(kind, second, sum(errors) / N, min(errors), flush=True)
    return kept


def other_folds(steerer: Steerer) -> dict[str, list[float]]:
    """Errors at twelve turns, and at six, with words held out in ten other draws of the folds."""
    end, kept = steerer.model.cfg.n_layers, {}
    for seed in range(1, 11):
        generator = torch.Generator().manual_seed(seed)
        folds = circle.folds(steerer.words, n=4, generator=generator)
        for kind in ("word", "story"):
            for name, gained in {
                "the dial": steerer.dial(f"{kind} {LAYER}", LAYER, folds=folds),
                "cut": steerer.dial(f"{kind} {LAYER}", LAYER, folds=folds, direct=False),
                "embeddings": steerer.dial(f"{kind} 0", end, folds=folds),
            }.items():
                for turns, each in ((TWELVE, gained), (SIX, gained[::2])):
                    key = f"{kind}, {name}, {len(turns)} turns"
                    kept.setdefault(key, []).append(round(steerer.error(each, turns), 2))
    return kept


def main() -> None:
    steerer = Steerer()
    kept = ways_of_steering(steerer)
    for name, each in kept.items():
        print(name, steerer.error(each, SIX if len(each) == 6 else TWELVE), flush=True)
    save_file({name: each.half() for name, each in kept.items()}, HERE / "controls.safetensors")
    write_json(HERE / "controls.json", arbitrary(steerer))
    write_json(HERE / "folds.json", other_folds(steerer))


if __name__ == "__main__":
    main()
