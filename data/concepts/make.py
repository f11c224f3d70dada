"""Write `texts.csv`: what the model writes when asked for a concept, to train a classifier on.

Run it from the repository's root: `python -m data.concepts.make` (about ten minutes on a laptop's
processor). `pairs.csv` and `openings.csv` beside it are written by hand.
"""

import csv
from pathlib import Path

import torch

from utils.generation import sample
from utils.models import load

HERE = Path(__file__).resolve().parent
N_ROWS, N_TOKENS, SEED = 6, 40, 0

# No subject is one of `pairs.csv`'s sentences or of `openings.csv`; each is a group for a split.
SUBJECTS = {
    "formality": """the school bus|a lost dog|the new computer|a birthday cake|the broken lift
a football match|the library card|a parking place|the garden fence|a summer job|the phone bill
the office printer|a cooking class|the bank account|a noisy dog|the science museum""".replace(
        "\n", "|"
    ).split("|"),
    "sea": """crabs|a shipwreck|sea turtles|tides|a harbour town|whales|submarines|a lifeboat
ocean waves|seagulls|a coral reef|sharks|a sailing trip|a small island|deep sea fish|surfers
trains|a bakery|horses|snow|a mountain village|owls|bicycles|a fire engine|city traffic|bees
a pine forest|wolves|a camping trip|a small farm|garden flowers|skaters""".replace("\n", "|").split(
        "|"
    ),
}
ASKED = {
    "formality": {
        1: (
            "Write a few sentences about {}, in very formal language, as in an official letter.",
            "Write a very formal and official announcement about {}.",
        ),
        0: (
            "Write a few sentences about {}, in very casual, chatty slang, as in a text to a "
            "buddy.",
            "Write a very casual and silly chat message to a buddy about {}.",
        ),
    },
    "sea": {
        label: ("Write a few sentences about {}.", "Write a short story in which there are {}.")
        for label in (0, 1)
    },
}


def requests() -> list[tuple[str, int, str, str]]:
    """(concept, label, subject, what to ask of the model)."""
    found = []
    for concept, subjects in SUBJECTS.items():
        for i, subject in enumerate(subjects):
            labels = (0, 1) if concept == "formality" else (int(i < len(subjects) // 2),)
            for label in labels:
                for asked in ASKED[concept][label]:
                    found.append((concept, label, subject, asked.format(subject)))
    return found


def main() -> None:
    model = load(device="cpu")
    rows = []
    for i, (concept, label, subject, asked) in enumerate(requests()):
        prompt = f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"
        tokens = model.to_tokens(prompt, prepend_bos=False).repeat(N_ROWS, 1)
        new = sample(
            model, tokens, n_tokens=N_TOKENS, generator=torch.Generator().manual_seed(SEED + i)
        )
        for text in model.tokenizer.batch_decode(new, skip_special_tokens=True):
            rows.append((concept, label, subject, " ".join(text.split())))
    with (HERE / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["concept", "label", "subject", "text"])
        writer.writerows(rows)
    print(len(rows), "texts;", torch.__version__)


if __name__ == "__main__":
    main()
