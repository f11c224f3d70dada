"""Train the adders of lesson 5.5: one that groks, its controls, clocks and pizzas.

Run it from the repository's root: `python -m data.grokking.make`. README.md beside this file says
what comes out, and why the recipe is what it is.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from data import training
from utils.cases import modular

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run, besides the seed."""

    p: int = 59
    share: float = 0.4  # of the pairs, to train on
    weight_decay: float = 1.0
    attention: float = 1.0
    lr: float = 2e-3
    steps: int = 4000
    every: int = 50
    kept: tuple[int, ...] = (0, *range(500, 4001, 500))


ADD = Recipe(share=0.8, weight_decay=2.0, lr=1e-3, steps=2500, every=100, kept=(2500,))
RECIPES = {
    "decay": Recipe(),
    "no_decay": Recipe(weight_decay=0.0, kept=(1000, 2000, 3000, 4000)),
    "clock": ADD,
    "pizza": replace(ADD, attention=0.0),
}
LAST_ONLY = ("clock", "pizza")  # of which the last step of each seed is kept
UNKNOWN = 7  # the seed of the clock whose frequencies the lesson asks for


def start(recipe: Recipe, seed: int):
    """A new network of this seed, its training pairs and the held-out ones."""
    generator = torch.Generator().manual_seed(seed)
    train, held_out = modular.split_pairs(recipe.p, recipe.share, generator=generator)
    model = modular.Adder(recipe.p, attention=recipe.attention, generator=generator)
    return model, train, held_out


def run(recipe: Recipe, seed: int, *, keep) -> tuple[modular.Adder, dict[str, list]]:
    """Train one network; `keep(model, step)` is called at each step to be kept."""
    model, train, held_out = start(recipe, seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )

    def gradients(step: int) -> torch.Tensor:
        loss = modular.sum_loss(model(train), train)
        loss.backward()
        return loss.detach()

    def measure(step: int) -> dict:
        if step in recipe.kept:
            keep(model, step)
        with torch.no_grad():
            here, there = model(train), model(held_out)
        return {
            "train": modular.accuracy(here, train),
            "held_out": modular.accuracy(there, held_out),
            "held_out_loss": modular.sum_loss(there, held_out).item(),
        }

    log, _ = training.train(
        gradients,
        [optimizer],
        title=f"p {recipe.p}, decay {recipe.weight_decay}, seed {seed}",
        steps=recipe.steps,
        warmup=10,
        measured_at=range(0, recipe.steps + 1, recipe.every),
        measure=measure,
    )
    return model, log


def triples(p: int, n: int = 1000) -> torch.Tensor:
    """Always the same random (a, b, c), to measure on."""
    return torch.randint(p, (n, 3), generator=torch.Generator().manual_seed(10_000))


def describe(model: modular.Adder, recipe: Recipe, seed: int) -> dict:
    """What is measured of a trained network, as its file gives it back."""
    _, train, held_out = start(recipe, seed)
    with torch.no_grad():
        logits = model(held_out)
        power = modular.fourier_power(model.W_E)
    order = power.argsort(descending=True)[:8]
    return {
        "train": modular.accuracy(model(train), train),
        "held_out": modular.accuracy(logits, held_out),
        "held_out_loss": modular.sum_loss(logits, held_out).item(),
        "frequencies": (order + 1).tolist(),
        "power": power[order].tolist(),
        "gradient_symmetricity": modular.gradient_symmetricity(model, triples(model.p))
        .mean()
        .item(),
        "distance_irrelevance": modular.distance_irrelevance(modular.logit_table(model)),
    }


def train_one(name: str, recipe: Recipe, seed: int, out: Path) -> tuple[dict, dict]:
    """Train one network and keep what is shipped of it; its log, and what is measured of it."""
    kept: dict[int, modular.Adder] = {}
    _, log = run(recipe, seed, keep=lambda model, step: kept.update({step: copy_of(model)}))
    last = kept[recipe.kept[-1]]
    if name in LAST_ONLY:
        file = "unknown" if seed == UNKNOWN else f"{name}_{seed}"
        modular.save_adder(last, out / f"{file}.safetensors")
    elif seed == 0:
        for step, model in kept.items():
            modular.save_adder(model, out / name / f"step_{step:05}.safetensors")
    training.copy_as_saved(last, last)
    rows = list(zip(log["step"], log["train"], log["held_out"], strict=True))
    return log, {
        **describe(last, recipe, seed),
        "step_learned": next((step for step, seen, _ in rows if seen > 0.99), None),
        "step_grokked": next((step for step, _, new in rows if new > 0.9), None),
    }


def main(arguments: list[str] | None = None) -> None:
    options = training.options(arguments, "Train the adders of lesson 5.5.", HERE)
    recipes, seeds = dict(RECIPES), [0, 1, 2]
    if options.tiny:
        tiny = {"p": 7, "steps": 20, "every": 10, "kept": (0, 20)}
        recipes, seeds = {name: replace(each, **tiny) for name, each in recipes.items()}, [0]
    logs, found = {}, {}
    for name, recipe in recipes.items():
        found[name] = {"recipe": asdict(recipe)}
        for seed in seeds:
            log, found[name][str(seed)] = train_one(name, recipe, seed, options.out)
            if seed == 0 and name not in LAST_ONLY:
                logs[name] = log
    train_one("clock", recipes["clock"], UNKNOWN, options.out)
    _, train, _ = start(recipes["decay"], 0)
    save_file({"train": train.to(torch.uint8)}, options.out / "split.safetensors")
    training.write_json(options.out / "log.json", logs)
    training.write_json(options.out / "seeds.json", found)


def copy_of(model: modular.Adder) -> modular.Adder:
    """A copy of the network as it is now."""
    copy = modular.Adder(model.p, attention=model.attention)
    copy.load_state_dict(model.state_dict())
    return copy


if __name__ == "__main__":
    main()
