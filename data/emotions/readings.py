"""Texts written on four dials, read back: `python -m data.emotions.readings`.

Writes `readings.safetensors`, for each dial and dose the logits of the 26 words after text and cue
([1 + turn, prompt, word]; row 0 is unsteered) and the mean loss of each text in nats, and
`readings.json` with how many texts name a feeling. Sixteen other planes have dose 0.4. Texts are
written and read in bfloat16. Twenty minutes on one core.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from data.emotions import task as emotions_task
from data.emotions.write_stories import NAMED
from data.training import write_json
from utils.generation import sample
from utils.models import load
from utils.steering import steer, typical_norm
from utils.writing import circle

HERE = Path(__file__).parent
DOSE, N_TOKENS, TURNS = 0.4, 24, torch.arange(0, 360, 60.0)
DOSES, N_PLANES = (0.2, 0.25, 0.3, 0.4), 16


class Writer:
    """Writes while steered, and reads while not."""

    def __init__(self):
        self.model = load().to(torch.bfloat16)
        self.words = emotions_task.read_words()
        self.columns = circle.first_tokens(self.model, self.words.words)
        self.cue = self.model.to_tokens(" I felt", prepend_bos=False)

    @torch.no_grad()
    def read(self, prompts, changes, layer):
        """Logits [change, prompt, word], losses [change, prompt] and texts, prompt by prompt."""
        changes = torch.cat([torch.zeros(1, changes.shape[1]), changes])
        n = len(changes)
        logits = torch.zeros(n, len(prompts), len(self.columns))
        losses, texts = torch.zeros(n, len(prompts)), {}
        rows = [self.model.to_tokens(prompt) for prompt in prompts]
        for length in sorted({row.shape[1] for row in rows}):
            which = [i for i, row in enumerate(rows) if row.shape[1] == length]
            start = torch.cat([rows[i].repeat(n, 1) for i in which])
            added = changes.repeat(len(which), 1)[:, None].to(torch.bfloat16)
            with steer(self.model, added, layer=layer, positions=slice(1, None)):
                new = sample(self.model, start, n_tokens=N_TOKENS)
            whole = torch.cat([start, new, self.cue.repeat(len(start), 1)], dim=1)
            last, loss = [], []
            for part in whole.split(52):
                found = self.model(part).float()
                written = part[:, length : length + N_TOKENS, None]
                each = found[:, length - 1 : length - 1 + N_TOKENS].log_softmax(-1)
                loss.append(-each.gather(-1, written)[..., 0].mean(-1))
                last.append(found[:, -1, self.columns])
            logits[:, which] = torch.cat(last).unflatten(0, (len(which), n)).transpose(0, 1)
            losses[:, which] = torch.cat(loss).unflatten(0, (len(which), n)).T
            for k, i in enumerate(which):
                texts[prompts[i]] = self.model.tokenizer.batch_decode(new[k * n : (k + 1) * n])
        return logits, losses, texts

    def error(self, logits, turns) -> float:
        """Mean angular error, from the mean over prompts, less that over turns."""
        change = logits[1:].mean(1)
        found = circle.measured_angle(change - change.mean(0), self.words.angles)
        return circle.angular_error(found, turns).mean().item()


def chosen_layer(kind: str) -> int:
    """The layer of the setting with the lowest mean error in `choices.json`."""
    choices = json.loads((HERE / "choices.json").read_text(encoding="utf-8"))
    own = {setting: sum(each) for setting, each in choices.items() if setting.startswith(kind)}
    return int(min(own, key=own.get).split(", ")[1])


def main() -> None:
    writer, vectors = Writer(), emotions_task.read_vectors()
    some = emotions_task.sentences(writer.words.words[::5], emotions_task.read_frames("fit")[::12])
    end, kept, notes = writer.model.cfg.n_layers, {}, {}
    layers = {kind: chosen_layer(kind) for kind in ("word", "story")}
    norms = {at: typical_norm(writer.model, some, layer=at) for at in {*layers.values(), end}}

    def keep(name, plane, layer, dose):
        changes = dose * norms[layer] * circle.towards(plane, TURNS)
        logits, losses, texts = writer.read(emotions_task.TO_TEST, changes, layer)
        kept[f"{name}, logits"], kept[f"{name}, losses"] = logits.half(), losses.half()
        print(name, writer.error(logits, TURNS), (losses[1:] - losses[0]).mean(), flush=True)
        save_file(kept, HERE / "readings.safetensors")
        return texts

    for kind in layers:
        for bias in ("", " bias"):
            layer = end if bias else layers[kind]
            each = vectors[f"{kind} {0 if bias else layer}"]
            axes = circle.circle_axes(each, writer.words.angles)
            for dose in DOSES:
                name = f"{kind}{bias}, {dose}"
                texts = keep(name, axes, layer, dose)
                every = [text for written in texts.values() for text in written[1:]]
                named = sum(bool(NAMED.search(text.lower())) for text in every)
                notes[name] = {"named": named, "of": len(every)}
                write_json(HERE / "readings.json", notes)
    for seed in range(N_PLANES):
        generator = torch.Generator().manual_seed(seed)
        pair = torch.randn(2, writer.model.cfg.d_model, generator=generator)
        if seed % 2:  # half of the planes are mixes of the stories' vectors
            pair = pair[:, :26] @ vectors[f"story {layers['story']}"]
        keep(f"random {seed}", circle.orthonormal(pair), layers["story"], DOSE)


if __name__ == "__main__":
    main()
