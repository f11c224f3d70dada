"""Train the board model of lesson 2.3: random games of Othello on 6 by 6, next move by next move.

Run it from the repository's root: `python -m data.othello.make`. README.md beside this file says
what comes out. With a GPU, `--device cuda --steps 40000` trains it on more games.
"""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from data import training
from data.native import save_native
from data.othello.task import (
    BOS,
    MAX_MOVES,
    NO_MOVE,
    SQUARES,
    Played,
    legal_mass,
    random_games,
    replay,
    to_tokens,
)

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides the seed."""

    n_layers: int = 6
    d_model: int = 128
    n_heads: int = 8
    batch: int = 64  # games a step, never one twice
    branches: bool = True  # score all legal next moves alike, or only the one that was played
    steps: int = 7000
    matrix_lr: float = 0.02  # Muon's, for the matrices of the blocks
    lr: float = 2e-3  # AdamW's, for all other weights
    warmup: int = 100  # steps
    fall: float = 0.7  # the share of the steps, at the end, in which both fall to zero
    weight_decay: float = 0.01
    clip: float = 1.0  # norm of the gradient
    eval_games: int = 512
    eval_every: int = 250


TINY = replace(
    Recipe(), n_layers=2, d_model=32, batch=16, steps=30, warmup=5, eval_games=16, eval_every=15
)


def new_model(recipe: Recipe, *, seed: int) -> TransformerBridge:
    """An untrained model: reads BOS and moves, and says at each place where the next disc goes."""
    config = {
        "n_layers": recipe.n_layers,
        "d_model": recipe.d_model,
        "n_heads": recipe.n_heads,
        "d_head": recipe.d_model // recipe.n_heads,
        "d_mlp": 4 * recipe.d_model,
        "n_ctx": MAX_MOVES,
        "d_vocab": BOS + 1,
        "d_vocab_out": SQUARES,
        "normalization_type": "LN",
        "positional_embedding_type": "standard",
        "act_fn": "gelu",
        "seed": seed,
    }
    return TransformerBridge.boot_native(config)


def next_move_loss(
    logits: Float[Tensor, "game move square"],
    played: Played,
    *,
    games: Int[Tensor, "game move"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the next move, in nats, over games and all their side branches.

    A branch leaves a game at some position with another legal move, and ends there. All of them
    are games like the others, and random play takes each alike; so every position is scored by the
    mean over its legal moves, not by the one that happened to be drawn.

    Args:
        games: score only these moves, the ones that were played.
    """
    legal, going = played.legal[:, :-1].to(logits.device), played.going[:, :-1].to(logits.device)
    log_probs = logits.float().log_softmax(-1)
    if games is None:
        scored = (log_probs * legal).sum(-1) / legal.sum(-1).clamp(min=1)
    else:
        scored = log_probs.gather(2, games.to(logits.device).clamp(min=0)[..., None])[..., 0]
    return -scored[going].mean()


@torch.no_grad()
def evaluate(
    model: TransformerBridge, games: Int[Tensor, "game move"], played: Played
) -> dict[str, float]:
    """How well the model knows the rules, on games that it has not seen.

    Returns:
        loss: of the next move, in nats.
        best_loss: the least possible, of a player who draws from the legal moves alike.
        legal_mass: mean probability on legal moves.
        legal_top: share of positions where the likeliest square is a legal move.
    """
    logits = model(to_tokens(games))
    going, legal = played.going[:, :-1], played.legal[:, :-1]
    top = legal.gather(2, logits.argmax(-1, keepdim=True))[..., 0]
    return {
        "loss": next_move_loss(logits, played).item(),
        "best_loss": legal.sum(-1)[going].float().log().mean().item(),
        "legal_mass": legal_mass(logits, legal)[going].mean().item(),
        "legal_top": top[going].float().mean().item(),
    }


def seen_before(
    games: Int[Tensor, "game move"], learnt: Int[Tensor, "training_game move"]
) -> list[float]:
    """By number of moves: the share of games that begin with the same moves as a training game.

    Games that have ended by then do not count. The last entry is of whole games of `MAX_MOVES`.
    """

    def keys(games: Tensor) -> Tensor:  # of the first moves; exact up to 12 of them, then a hash
        key, found = torch.zeros(len(games), dtype=torch.int64), []
        for move in games.unbind(1):
            key = key * (SQUARES + 1) + move + 1
            found.append(key)
        return torch.stack(found)

    going = (games != NO_MOVE).unbind(1)
    rows = zip(keys(games), keys(learnt), going, strict=True)
    return [torch.isin(new, old)[on].float().mean().item() for new, old, on in rows]


def train(
    recipe: Recipe, *, seed: int, device: str = "cpu", save_to: Path | None = None
) -> tuple[TransformerBridge, dict]:
    """Train one model in bf16, saving it in `save_to` at every evaluation where that is given.

    Returns:
        The model on the CPU, as it is saved (weights rounded to half precision), and
        `{"log": columns over evaluations: step, seconds, train_loss, and what evaluate returns,
        "seen_before": of the games it is evaluated on, by number of moves}`.
    """
    model = new_model(recipe, seed=seed).to(device)
    saved = new_model(recipe, seed=seed)
    # In trials of 100 s Muon came as far as AdamW alone in less than half the steps.
    decay = recipe.weight_decay
    optimizers = training.muon_and_adamw(
        model, muon=(recipe.matrix_lr, decay), adamw=(recipe.lr, decay)
    )
    test = random_games(recipe.eval_games, generator=torch.Generator().manual_seed(10_000))
    played = replay(test)
    generator = torch.Generator().manual_seed(seed)
    begin, learnt = time.monotonic(), []

    def gradients(step: int) -> Tensor:
        games = random_games(recipe.batch, generator=generator)
        learnt.append(games.to(torch.int8))
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = model(to_tokens(games).to(device))
        only = None if recipe.branches else games
        loss = next_move_loss(logits, replay(games), games=only)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        return loss

    def measure(step: int) -> dict[str, float]:
        training.copy_as_saved(model, saved)
        if save_to:
            save_native(saved, save_to)
        return {"seconds": time.monotonic() - begin, **evaluate(saved, test, played)}

    log, _ = training.train(
        gradients,
        optimizers,
        title=f"seed {seed}",
        steps=recipe.steps,
        warmup=recipe.warmup,
        fall=lambda step: (1 - step / recipe.steps) / recipe.fall,
        measured_at={*range(0, recipe.steps, recipe.eval_every), recipe.steps},
        measure=measure,
    )
    return saved, {"log": log, "seen_before": seen_before(test, torch.cat(learnt))}


def main(arguments: list[str] | None = None) -> None:
    args = training.options(
        arguments,
        __doc__,
        HERE,
        steps={"type": int, "help": f"of {Recipe.batch} games: {Recipe.steps}"},
        device={"default": "cpu", "help": "cpu or cuda"},
        single={"action": "store_true", "help": "no side branches: the moves played"},
    )
    recipe = TINY if args.tiny else Recipe()
    recipe = replace(recipe, steps=args.steps or recipe.steps, branches=not args.single)
    _, made = train(recipe, seed=args.seed, device=args.device, save_to=args.out / "trained")
    training.write_json(args.out / "log.json", {"recipe": asdict(recipe), "seed": args.seed} | made)


if __name__ == "__main__":
    main()
