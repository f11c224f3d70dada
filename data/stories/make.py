"""Short texts that SmolLM2 wrote, and the small language models that learnt from them alone.

make data D=stories                          # both steps, about two hours on one core
python -m data.stories.make sample --minutes 35
python -m data.stories.make train --name narrow
"""

import argparse
import json
import random
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data import sampling, training

FOLDER = Path(__file__).parent
TEXTS = FOLDER / "texts.safetensors"
N_SPECIAL = 3  # of SmolLM2's special tokens, the first: end of text, start and end of a turn

# ---- What SmolLM2 is asked for ------------------------------------------------------------------

FORMS = (
    "Write a short story about {}.",
    "Write a diary entry about {}.",
    "Write a short review of {}.",
    "Write a letter to a friend about {}.",
    "Describe {} in a few sentences.",
    "Tell me about {}.",
)
MOODS = (
    "Make it happy.",
    "Make it sad.",
    "Make it angry.",
    "Make it scary.",
    "Make it calm.",
    "Make it exciting.",
    "Make it boring.",
    "Say how wonderful it was.",
    "Say how terrible it was.",
    "Complain about everything.",
    "Praise everything.",
    "Keep it simple.",
)
SUBJECTS = (
    """
a dog|a cat|a horse|a bird in the garden|a fish|a lost kitten|a bear in the woods|a mouse|a spider
a day at the beach|a walk in the forest|a night in the mountains|a trip to the city|a train ride
a long flight|a boat on the sea|a storm|the first snow|a hot summer day|a rainy morning|the moon
my grandmother|my brother|my best friend|a new neighbour|an old teacher|a doctor|a farmer|a king
a young girl|a boy and his father|a lonely man|a singer|a soldier|a thief|a nurse|a baker
a birthday party|a wedding|a funeral|the first day of school|an exam|a new job|a bad day at work
a football game|a race|a chess game|a school play|a concert|a dance|a holiday|a picnic
a restaurant|a hotel|a film|a book|a phone|a car|a pair of shoes|a coffee shop|a museum|a bakery
a bowl of soup|a chocolate cake|fresh bread|an apple tree|a cup of tea|a pizza|a big dinner
an old house|a small town|a castle|a farm|a hospital|a library|a market|a school|a bridge|an island
a broken window|a lost key|a letter|a secret|a gift|a dream|a mistake|a promise|a fight|a surprise
a robot|a ghost|a dragon|a magic stone|a space ship|a time machine|a haunted house|a treasure map
the river|the sun|the stars|the wind|a volcano|a flower|a tree|a desert|a lake|the ocean
music|painting|cooking|running|swimming|gardening|reading|sleeping|working late|learning to drive
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def prompts(n: int, seed: int) -> list[str]:
    """Requests drawn at random: a form, a subject and, in three of four, a mood."""
    generator = random.Random(seed)
    choice = generator.choice
    out = []
    for _ in range(n):
        request = choice(FORMS).format(choice(SUBJECTS))
        out.append(f"{request} {choice(MOODS)}" if generator.random() < 0.75 else request)
    return out


# ---- A tokenizer of the tokens that occur -------------------------------------------------------


def cut_tokenizer(texts: list[str], *, least: int):
    """SmolLM2's tokenizer with the tokens alone that occur `least` times in the texts.

    What is kept has the string it had, and the smaller tokens that it is merged from are kept too;
    every other word falls into smaller pieces. All single bytes stay, so any text can be read.
    """
    from transformers import AutoTokenizer

    from utils.fetch import fetch

    whole = AutoTokenizer.from_pretrained(str(fetch()))
    count = Counter(i for ids in whole(texts)["input_ids"] for i in ids)
    spec = json.loads(whole.backend_tokenizer.to_str())
    vocabulary, merges = spec["model"]["vocab"], [tuple(m) for m in spec["model"]["merges"]]
    made_from = {"".join(pair): pair for pair in merges}
    kept = {token for token, i in vocabulary.items() if i < N_SPECIAL or token not in made_from}
    kept -= {t["content"] for t in spec["added_tokens"] if t["id"] >= N_SPECIAL}
    open_ = [token for token, i in vocabulary.items() if count[i] >= least]
    while open_:
        if (token := open_.pop()) not in kept:
            kept.add(token)
            open_ += made_from[token]
    ordered = sorted(kept, key=vocabulary.get)
    spec["model"]["vocab"] = {token: i for i, token in enumerate(ordered)}
    spec["model"]["merges"] = [list(m) for m in merges if "".join(m) in kept]
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["id"] < N_SPECIAL]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        bos_token=whole.bos_token,
        eos_token=whole.eos_token,
        pad_token=whole.eos_token,
        clean_up_tokenization_spaces=False,
    )


# ---- Training -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a model, besides the texts."""

    width: int
    seed: int
    layers: int = 4
    d_head: int = 32
    least: int = 16  # a token that occurs less often is not in the vocabulary
    length: int = 128  # tokens read of each text, with BOS
    batch: int = 32  # texts a step
    epochs: float = 6.0
    matrix_lr: float = 0.02  # Muon's, for the matrices of the blocks
    lr: float = 3e-3  # AdamW's, for all other weights
    weight_decay: float = 0.1
    warmup: int = 50  # steps
    fall: float = 0.7  # the share of the steps, at the end, in which both fall to zero
    held_out: int = 20  # one text in so many is not learnt


RECIPES = {"narrow": Recipe(width=64, seed=1), "wide": Recipe(width=128, seed=2)}


def read_texts() -> list[str]:
    """All texts, as SmolLM2 wrote them."""
    from transformers import AutoTokenizer

    from utils.fetch import fetch

    rows = [row.tolist() for row in sampling.read_tokens(TEXTS)]
    return AutoTokenizer.from_pretrained(str(fetch())).batch_decode(rows)


def new_model(recipe: Recipe, vocabulary: int) -> LlamaForCausalLM:
    """An untrained model of SmolLM2's make: RMSNorm, rotary positions, SwiGLU, tied embeddings."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.width,
        intermediate_size=recipe.width * 8 // 3,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.width // recipe.d_head,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.02,
    )
    return LlamaForCausalLM(config)


def rows_of(tokenizer, texts: list[str], length: int) -> torch.Tensor:
    """BOS, the text, the end token; then -100, which the loss leaves out. [text length]"""
    ids = tokenizer(texts, truncation=True, max_length=length - 1)["input_ids"]
    out = torch.full((len(ids), length), -100)
    for row, text in zip(out, ids, strict=True):
        whole = [1, *text, 2][:length]
        row[: len(whole)] = torch.tensor(whole)
    return out


def loss_of(model: LlamaForCausalLM, rows: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the next token, in nats."""
    with torch.autocast(rows.device.type, dtype=torch.bfloat16):
        logits = model(rows.clamp(min=0)[:, :-1]).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), rows[:, 1:].flatten(), ignore_index=-100
    )


def train(name: str, *, device: str = "cpu") -> None:
    """Train one model from scratch and save it, in half precision, with its tokenizer."""
    recipe, texts = RECIPES[name], read_texts()
    tokenizer = cut_tokenizer(texts, least=recipe.least)
    rows = rows_of(tokenizer, texts, recipe.length).to(device)
    held = torch.arange(len(rows)) % recipe.held_out == 0
    learnt, unseen = rows[~held], rows[held]
    model = new_model(recipe, len(tokenizer)).to(device)
    per_epoch = len(learnt) // recipe.batch
    steps = int(per_epoch * recipe.epochs)
    print(f"{name}: a vocabulary of {len(tokenizer)}, {model.num_parameters():,} parameters")

    def gradients(step: int) -> torch.Tensor:
        epoch, part = divmod(step, per_epoch)
        order = torch.Generator().manual_seed(epoch * per_epoch)
        chosen = torch.randperm(len(learnt), generator=order).split(recipe.batch)[part]
        loss = loss_of(model, learnt[chosen])
        loss.backward()
        return loss

    @torch.no_grad()
    def measure(step: int) -> dict[str, float]:
        parts = [loss_of(model, part) for part in unseen.split(64)]
        return {"held_out": torch.stack(parts).mean().item()}

    log, losses = training.train(
        gradients,
        training.muon_and_adamw(
            model, muon=(recipe.matrix_lr, recipe.weight_decay), adamw=(recipe.lr, 0.01)
        ),
        title=name,
        steps=steps,
        warmup=recipe.warmup,
        fall=lambda step: (steps - step) / (recipe.fall * steps),
        measured_at={*range(200, steps, 200), steps},
        measure=measure,
    )
    pairs = zip(log["step"], log["held_out"], strict=True)
    by_step = {step: [losses[step - 1], held_out] for step, held_out in pairs}
    how = {"recipe": asdict(recipe), "loss, held-out loss": by_step}
    training.save_pretrained(model, tokenizer, FOLDER / name, how=how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", nargs="?", choices=["sample", "train"])
    parser.add_argument("--minutes", type=float, default=35)
    parser.add_argument("--name", choices=list(RECIPES))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.step != "train":
        sampling.write_answers(TEXTS, prompts, minutes=arguments.minutes)
    if arguments.step != "sample":
        for name in [arguments.name] if arguments.name else RECIPES:
            train(name, device=arguments.device)


if __name__ == "__main__":
    main()
