"""Train the toys of lesson 5.3: small transformers that answer who has which drink.

Run it from the repository's root: `python -m data.binding.make`. README.md beside this file says
what comes out.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from data import training
from data.binding import task
from data.native import save_native
from utils.models import load

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides the seed."""

    forms: tuple[str, ...] = task.FORMS
    pairs: tuple[int, ...] = (2, 3)  # names in a story
    most_fillers: int = 4
    questions: int = 6  # after each story; no answer is shown
    kinds: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)  # by ordinal, by name, "where"
    n_layers: int = 4
    d_model: int = 64
    n_heads: int = 4
    d_mlp: int = 128
    n_ctx: int = 64
    start: str = ""  # the toy that it goes on from
    sight: bool = False  # whether a drink is changed after the story, seen or hidden
    frozen: int = 0  # this many blocks keep their random weights, and so does the embedding
    batch: int = 64
    steps: int = 3000
    lr: float = 3e-3
    warmup: int = 50
    weight_decay: float = 0.01
    eval_batch: int = 400
    eval_every: int = 200


TINY = replace(Recipe(), n_layers=2, d_model=16, batch=4, steps=6, eval_batch=20, eval_every=3)
RECIPES = {  # with their seeds
    "toy": (Recipe(), 0),
    "seed_1": (Recipe(steps=4500), 1),
    "twin": (
        Recipe(frozen=2, forms=("clauses",), pairs=(2,), kinds=(0.0, 1.0, 0.0), steps=2500),
        0,
    ),
    "belief": (
        Recipe(start="toy", sight=True, forms=("clauses",), kinds=(0.0, 1.0, 0.0), steps=1200),
        0,
    ),
}


def new_model(recipe: Recipe, *, seed: int) -> TransformerBridge:
    """An untrained model with rotary positions."""
    config = {
        "n_layers": recipe.n_layers,
        "d_model": recipe.d_model,
        "n_heads": recipe.n_heads,
        "d_head": recipe.d_model // recipe.n_heads,
        "d_mlp": recipe.d_mlp,
        "n_ctx": recipe.n_ctx,
        "d_vocab": len(task.STORY_WORDS) + len(task.SIGHT) * recipe.sight,
        "act_fn": "relu",
        "normalization_type": "LN",
        "positional_embedding_type": "rotary",
        "seed": seed,
    }
    return TransformerBridge.boot_native(config)


def make_batch(
    recipe: Recipe, *, generator: torch.Generator
) -> tuple[Int[Tensor, "story pos"], Int[Tensor, "story question"], Int[Tensor, " question"]]:
    """Stories of one length and form with questions of all kinds, in random order.

    Returns:
        Tokens, answers, and the positions at which they are predicted.
    """

    def one_of(some: tuple):
        return some[int(torch.randint(len(some), (1,), generator=generator))]

    n, form = one_of(recipe.pairs), one_of(recipe.forms)
    names, drinks = task.draw_words(recipe.batch, n, generator=generator)
    fillers = int(torch.randint(recipe.most_fillers + 1, (1,), generator=generator))
    story = task.write_story(names, drinks, form=form, fillers=fillers, generator=generator)
    k = recipe.questions
    rounds = [
        torch.rand(recipe.batch, n, generator=generator).argsort(-1) for _ in range(-(-k // n))
    ]
    asked = torch.cat(rounds, dim=1)[:, :k]
    weights = torch.tensor(recipe.kinds).expand(recipe.batch, -1)
    kind = torch.multinomial(weights, k, replacement=True, generator=generator)
    ordinal = asked + task.FIRST_ORDINAL
    word = torch.where(kind == 0, ordinal, names.gather(1, asked))
    answer = torch.where(kind == 2, ordinal, drinks.gather(1, asked))
    sign = torch.where(kind == 2, task.WHERE, task.ASKS)
    told = story.tokens
    if recipe.sight:
        told, answer = _changed(told, names, drinks, asked, answer, generator=generator)
    start = told.shape[1]
    tokens = torch.cat([told, torch.stack([sign, word], dim=2).flatten(1)], dim=1)
    return tokens, answer, start + 1 + 2 * torch.arange(k)


def _changed(told, names, drinks, asked, answer, *, generator):
    """The stories with a change of one drink, and the answers after it, by name."""
    batch, n = names.shape
    who = torch.randint(n, (batch, 1), generator=generator)
    seen = torch.randint(2, (batch, 1), generator=generator)
    _, many = task.draw_words(batch, 1, sets=n + 1, generator=generator)
    taken = (many[:, :, None] == drinks[:, None]).any(-1)
    new = many.gather(1, taken.int().argmin(1, keepdim=True))  # the first that nobody has
    told = task.change(told, names.gather(1, who)[:, 0], new[:, 0], seen[:, 0])
    return told, torch.where((asked == who) & (seen == 1), new, answer)


@torch.no_grad()
def evaluate(model: TransformerBridge, recipe: Recipe, *, pairs: tuple[int, ...] = (2, 3)) -> dict:
    """How often the model names the right drink, by form, kind of question and length of story."""
    found = {}
    if recipe.sight:
        stories = replace(recipe, batch=recipe.eval_batch)
        tokens, answer, at = make_batch(stories, generator=torch.Generator().manual_seed(10_000))
        found["after a change"] = (model(tokens)[:, at].argmax(-1) == answer).float().mean().item()
    for form in recipe.forms:
        for n in pairs:
            generator = torch.Generator().manual_seed(10_000 + n)
            names, drinks = task.draw_words(recipe.eval_batch, n, generator=generator)
            story = task.write_story(names, drinks, form=form, fillers=3, generator=generator)
            asked = torch.randint(n, (recipe.eval_batch, 1), generator=generator)
            answer = drinks.gather(1, asked)[:, 0]
            for kind, word in {
                "name": names.gather(1, asked)[:, 0],
                "ordinal": asked[:, 0] + task.FIRST_ORDINAL,
            }.items():
                said = model(task.ask(story.tokens, word))[:, -1].argmax(-1)
                found[f"{form}, {n}, {kind}"] = (said == answer).float().mean().item()
    return found


def train(
    recipe: Recipe, *, seed: int, title: str, save_to: Path | None = None
) -> tuple[TransformerBridge, dict]:
    """Train one toy; its log has accuracies by step."""
    model = new_model(recipe, seed=seed)
    saved = new_model(recipe, seed=seed)
    if recipe.start:
        old = load(str(HERE / recipe.start), device="cpu").state_dict()
        new = model.state_dict()
        fits = {k: torch.cat([v, new[k][len(v) :]]) for k, v in old.items()}  # more words
        model.load_state_dict(fits)
    inside = model.original_model
    if recipe.frozen:
        inside.tok_embed.requires_grad_(False)
        inside.layers[: recipe.frozen].requires_grad_(False)
    learning = [weight for weight in inside.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        learning, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, foreach=True
    )
    generator = torch.Generator().manual_seed(seed)

    def gradients(step: int) -> Tensor:
        tokens, answer, at = make_batch(recipe, generator=generator)
        loss = F.cross_entropy(inside(tokens)[:, at].flatten(0, 1), answer.flatten())
        loss.backward()
        return loss

    def measure(step: int) -> dict:
        training.copy_as_saved(model, saved)
        return evaluate(saved, recipe)

    log, _ = training.train(
        gradients,
        [optimizer],
        title=title,
        steps=recipe.steps,
        warmup=recipe.warmup,
        fall=lambda step: 3 * (1 - step / recipe.steps),
        measured_at={*range(0, recipe.steps, recipe.eval_every), recipe.steps},
        measure=measure,
    )
    if save_to:
        save_native(saved, save_to)
    return saved, log


def main(arguments: list[str] | None = None) -> None:
    args = training.options(arguments, __doc__, HERE, name={"choices": [*RECIPES]})
    for name in [args.name] if args.name else [*RECIPES]:
        recipe, seed = RECIPES[name]
        recipe = replace(TINY, forms=recipe.forms, kinds=recipe.kinds) if args.tiny else recipe
        model, log = train(recipe, seed=seed, title=name, save_to=args.out / name)
        how = {"recipe": asdict(recipe), "seed": seed, **log}
        how |= {"longer": evaluate(model, recipe, pairs=(2, 3, 4, 5, 6))}
        training.write_json(args.out / name / "training.json", how)


if __name__ == "__main__":
    main()
