"""Texts written on four dials, read back: `python -m data.emotions.readings`.

Writes `readings.safetensors`, for each dial the logits of the 26 words after text and cue
([1 + turn, prompt, word]; row 0 is unsteered) and the mean loss of each text in nats, and
`readings.json` with the texts of two prompts and how many texts name a feeling. Texts are written
and read in bfloat16. The dose, 0.4, was the better of 0.25 and 0.4 for the word dial and for its
token bias, on eight prompts that are not among those here. Ten minutes on one core.
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
        """Mean angular error, from the mean change over prompts."""
        found = circle.measured_angle((logits[1:] - logits[0]).mean(1), self.words.angles)
        return circle.angular_error(found, turns).mean().item()


def chosen_layer(kind: str) -> int:
    """The layer of the setting with the lowest mean error in `choices.json`."""
    choices = json.loads((HERE / "choices.json").read_text(encoding="utf-8"))
    own = {setting: sum(each) for setting, each in choices.items() if setting.startswith(kind)}
    return int(min(own, key=own.get).split(", ")[1])


def main() -> None:
    writer, vectors = Writer(), emotions_task.read_vectors()
    some = emotions_task.sentences(writer.words.words[::5], emotions_task.read_frames("fit")[::12])
    end, norms = writer.model.cfg.n_layers, {}
    kept, notes = {}, {}
    for name in ("word", "word bias", "story", "story bias"):
        kind, _, bias = name.partition(" ")
        layer = end if bias else chosen_layer(kind)
        each = vectors[f"{kind} {0 if bias else layer}"]
        if layer not in norms:
            norms[layer] = typical_norm(writer.model, some, layer=layer)
        axes = circle.circle_axes(each, writer.words.angles)
        changes = DOSE * norms[layer] * circle.towards(axes, TURNS)
        logits, losses, texts = writer.read(emotions_task.TO_TEST, changes, layer)
        kept |= {f"{name}, logits": logits.half(), f"{name}, losses": losses}
        every = [text for written in texts.values() for text in written[1:]]
        notes[name] = {
            "layer": layer,
            "named": sum(bool(NAMED.search(text.lower())) for text in every),
            "of": len(every),
            "texts": {prompt: texts[prompt] for prompt in emotions_task.TO_TEST[4:6]},
        }
        print(name, writer.error(logits, TURNS), notes[name]["named"], flush=True)
        print((losses[1:] - losses[0]).mean(), losses[0].mean(), flush=True)
        save_file(kept, HERE / "readings.safetensors")
        write_json(HERE / "readings.json", notes)
    for seed in range(6):
        layer = notes["story"]["layer"]
        generator = torch.Generator().manual_seed(seed)
        pair = torch.randn(2, writer.model.cfg.d_model, generator=generator)
        if seed % 2:  # half of the planes are mixes of the stories' vectors
            pair = pair[:, :26] @ vectors[f"story {layer}"]
        changes = DOSE * norms[layer] * circle.towards(circle.orthonormal(pair), TURNS)
        logits, losses, _ = writer.read(emotions_task.TO_TEST, changes, layer)
        kept |= {f"random {seed}, logits": logits.half(), f"random {seed}, losses": losses}
        print(seed, writer.error(logits, TURNS), (losses[1:] - losses[0]).mean(), flush=True)
        save_file(kept, HERE / "readings.safetensors")


if __name__ == "__main__":
    main()
