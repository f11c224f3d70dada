"""Small reasoning models that search for a sum, try after try, and judge each try themselves.

make data D=countdown                       # ten models, 10 to 20 minutes each on a core
python -m data.countdown.make --name seed_0
python -m data.countdown.make --name report  # what they can do, and what disables their verdicts
"""

import argparse
import random
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data import training
from data.countdown import task as countdown
from utils.cases import verification
from utils.heads import random_heads
from utils.models import load
from utils.reading import probes

FOLDER = Path(__file__).parent
IDS = {word: i for i, word in enumerate(countdown.VOCABULARY)}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a model."""

    seed: int
    variable_header: bool = True
    recheck: float = 0.0  # the share of traces that check a success once more
    wrong: float = 0.0  # the share of verdicts that are wrong
    most_tries: int = 8  # where verdicts may be wrong
    one_word: bool = True  # "this works" and "not TARGET"; or any of four words, and the result
    layers: int = 6
    width: int = 96
    heads: int = 8
    shared: int = 4  # query heads for each key-value head
    d_head: int = 24  # more than width / heads: a head tells 64 numbers apart
    hidden: int = 176
    rotary_base: float = 1e5
    most_failures: int = 6
    verdict: float = 10.0  # the weight of a verdict's loss at first; of all others it is 1
    last_verdict: float = 1.0  # what that weight has fallen to
    settled: float = 0.6  # after this share of the steps
    steps: int = 1000
    traces: int = 64  # a step, about 4,000 tokens
    parts: int = 4  # of a step, by length
    matrix_lr: float = 0.02  # Muon's, for the matrices of the blocks
    lr: float = 3e-3  # AdamW's, for all other weights
    warmup: int = 100
    fall: float = 0.5  # the share of the steps, at the end, in which both fall to zero


RECIPES = {f"seed_{seed}": Recipe(seed) for seed in range(6)}
RECIPES["base"] = Recipe(6, wrong=0.2, last_verdict=10.0, steps=2000)
_THREE = {"layers": 3, "shared": 1, "hidden": 288, "last_verdict": 10.0, "steps": 3000}
RECIPES["three_layers"] = Recipe(0, one_word=False, **_THREE)
RECIPES["recheck_0"] = Recipe(0, one_word=False, recheck=0.5, **_THREE)


# ---- Traces -------------------------------------------------------------------------------------


def trace(generator: random.Random, puzzles, recipe: Recipe) -> list[str]:
    """A whole search in words: failures with different results, then a success, each judged.

    Where verdicts may be wrong, a failure that is accepted ends the search, and a success that is
    refused does not; a search that has not ended after `most_tries` is given up.
    """
    puzzle, found = next(puzzles)
    misses = [value for value in found if value != puzzle.target]
    yes, no = (each[: 1 if recipe.one_word else None] for each in (countdown.YES, countdown.NO))
    n_failures = generator.randint(0, min(recipe.most_failures, len(misses)))
    values = [*generator.sample(misses, n_failures), puzzle.target]
    if recipe.wrong:
        others = [value for value in misses if value not in values]
        generator.shuffle(others)
        values = [*values, *others][: recipe.most_tries]
    words = ["<bos>", *puzzle.header]
    for value in values:
        words += [*(tried := generator.choice(found[value]).words), "("]
        if (value == puzzle.target) != (generator.random() < recipe.wrong):
            words += [generator.choice(yes), "works", ")"]
            break
        verdict = [generator.choice(no), str(puzzle.target if recipe.one_word else value)]
        words += [*verdict, ")", ","]
    if generator.random() < recipe.recheck:
        words += [",", "check", *tried, "(", generator.choice(yes), "works", ")"]
    return [*words, "<eos>"]


def steps_of(recipe: Recipe):
    """Rows of token ids for a step, in parts from the shortest to the longest, without end.

    Traces of like length share a part, so that few places are padding (-100); a step has all
    lengths, for the shortest traces are all successes.
    """
    generator = random.Random(1_000 + recipe.seed)
    puzzles = countdown.puzzles(generator, test=False, variable=recipe.variable_header)
    while True:
        traces = sorted((trace(generator, puzzles, recipe) for _ in range(recipe.traces)), key=len)
        rows = [torch.tensor([IDS[word] for word in each]) for each in traces]
        part = len(rows) // recipe.parts
        yield [
            pad_sequence(rows[at : at + part], batch_first=True, padding_value=-100)
            for at in range(0, len(rows), part)
        ]


# ---- Training -----------------------------------------------------------------------------------


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each word and each number; words stand apart."""
    made = Tokenizer(models.WordLevel(IDS, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def new_model(recipe: Recipe) -> LlamaForCausalLM:
    """Untrained: RMSNorm, rotary positions, SwiGLU, as many key-value heads as query heads."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=len(countdown.VOCABULARY),
        hidden_size=recipe.width,
        intermediate_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads // recipe.shared,
        head_dim=recipe.d_head,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rotary_base},
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def loss_of(
    model: LlamaForCausalLM, parts: list[torch.Tensor], *, verdict: float = 1.0
) -> torch.Tensor:
    """Cross-entropy of the next token, in nats; verdicts, one token in 15, count for more.

    Part by part, and each part's gradients are added to the model's.
    """
    total = sum(int((rows[:, 1:] >= 0).sum()) for rows in parts)
    loss = torch.zeros(())
    for rows in parts:
        logits = model(rows.clamp(min=0)[:, :-1]).logits
        each = torch.nn.functional.cross_entropy(
            logits.mT, rows[:, 1:], ignore_index=-100, reduction="none"
        )
        part = (each * torch.where(rows[:, :-1] == IDS["("], verdict, 1.0)).sum() / total
        part.backward()
        loss += part.detach().cpu()
    return loss


def train(name: str, *, device: str = "cpu") -> None:
    """Train one model from scratch and save it with its tokenizer, and the loss by step."""
    recipe = RECIPES[name]
    model = new_model(recipe).to(device)
    batches = steps_of(recipe)

    def gradients(step: int) -> torch.Tensor:
        fallen = min(1.0, step / (recipe.settled * recipe.steps))
        weight = recipe.verdict + (recipe.last_verdict - recipe.verdict) * fallen
        return loss_of(model, [rows.to(device) for rows in next(batches)], verdict=weight)

    log, losses = training.train(
        gradients,
        training.muon_and_adamw(model, muon=(recipe.matrix_lr, 0.1), adamw=(recipe.lr, 0.01)),
        title=name,
        steps=recipe.steps,
        warmup=recipe.warmup,
        fall=lambda step: (recipe.steps - step) / (recipe.fall * recipe.steps),
        measured_at={*range(100, recipe.steps, 100), recipe.steps},
    )
    by_step = {step: losses[step - 1] for step in log["step"]}
    how = {"recipe": asdict(recipe), "weighted loss by step": by_step}
    training.save_pretrained(model, new_tokenizer(), FOLDER / name, how=how)


# ---- Reward -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reward:
    """How a model is rewarded for its answers alone: the policy gradient, REINFORCE."""

    base: str = "base"
    seed: int = 0
    steps: int = 150
    puzzles: int = 32  # a step
    samples: int = 8  # texts a puzzle, whose mean reward is the baseline
    n_tokens: int = 130
    lr: float = 3e-4  # AdamW's
    warmup: int = 10


REWARDED = {"rewarded": Reward()}


@torch.no_grad()
def rollouts(model: LlamaForCausalLM, drawn: list, *, samples: int, n_tokens: int) -> list[list]:
    """For each puzzle, texts that the model samples at temperature 1: token ids, BOS to EOS."""
    rows = [torch.tensor([IDS[word] for word in ["<bos>", *each.header]]) for each in drawn]
    prompts = pad_sequence(rows, batch_first=True, padding_side="left")
    mask = (prompts > 0).long()
    written = model.generate(
        prompts.to(model.device),
        attention_mask=mask.to(model.device),
        do_sample=True,
        top_k=0,
        max_new_tokens=n_tokens,
        num_return_sequences=samples,
    )
    found = [[token for token in row if token] for row in written.tolist()]  # 0 is <pad>
    return [found[at : at + samples] for at in range(0, len(found), samples)]


def reward_of(puzzle: countdown.Puzzle, tokens: list[int]) -> float:
    """1 where the first try that the text accepts is legal and hits the target, else 0."""
    words = [countdown.VOCABULARY[token] for token in tokens[1 + len(puzzle.header) :]]
    return float(countdown.solved(countdown.read(puzzle, words)))


def reinforce(name: str, *, device: str = "cpu") -> None:
    """Train a model on by the reward of its answers alone, and save it with its rewards by step.

    Nothing says which verdict was right. A text's advantage is its reward less the mean of its
    puzzle's, over the standard deviation (as in GRPO, Shao et al., 2024, arXiv 2402.03300).
    """
    recipe = REWARDED[name]
    torch.manual_seed(2_000 + recipe.seed)
    model = LlamaForCausalLM.from_pretrained(FOLDER / recipe.base, dtype=torch.float32).to(device)
    generator = random.Random(2_000 + recipe.seed)
    puzzles = countdown.puzzles(generator, test=False)
    rewards: list[float] = []

    def gradients(step: int) -> torch.Tensor:
        drawn = [next(puzzles)[0] for _ in range(recipe.puzzles)]
        model.eval()
        texts = rollouts(model, drawn, samples=recipe.samples, n_tokens=recipe.n_tokens)
        model.train()
        given = torch.tensor(
            [
                [reward_of(each, text) for text in some]
                for each, some in zip(drawn, texts, strict=True)
            ]
        )
        rewards.append(given.mean().item())
        advantage = (given - given.mean(1, keepdim=True)) / (given.std(1, keepdim=True) + 1e-4)
        rows = [
            (torch.tensor(text), 1 + len(each.header), gain)
            for each, some, gains in zip(drawn, texts, advantage.tolist(), strict=True)
            for text, gain in zip(some, gains, strict=True)
            if gain
        ]
        rows.sort(key=lambda row: len(row[0]))
        total = sum(len(tokens) - start for tokens, start, _ in rows)
        loss = torch.zeros(())
        for at in range(0, len(rows), 64):
            tokens, starts, gains = zip(*rows[at : at + 64], strict=True)
            tokens = pad_sequence(tokens, batch_first=True).to(device)
            weight = torch.tensor(gains, device=device)[:, None].repeat(1, tokens.shape[1] - 1)
            for row, start in enumerate(starts):
                weight[row, : start - 1] = 0
            weight = weight * (tokens[:, 1:] > 0)
            logits = model(tokens[:, :-1]).logits
            each = torch.nn.functional.cross_entropy(logits.mT, tokens[:, 1:], reduction="none")
            part = (each * weight).sum() / total
            part.backward()
            loss += part.detach().cpu()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        return loss

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=0.0)
    measured = range(10, recipe.steps + 1, 10)
    training.train(
        gradients,
        [optimizer],
        title=name,
        steps=recipe.steps,
        warmup=recipe.warmup,
        measured_at=measured,
        measure=lambda step: {"reward": sum(rewards[-10:]) / 10},
    )
    by_step = {step: sum(rewards[step - 10 : step]) / 10 for step in measured}
    how = {"recipe": asdict(recipe), "reward by step": by_step}
    training.save_pretrained(model, new_tokenizer(), FOLDER / name, how=how)


# ---- What came out ------------------------------------------------------------------------------


@torch.no_grad()
def study(model, *, n: int = 300, n_neurons: int = 20, draws: int = 6) -> dict:
    """What lesson 5.1 finds in a model, by fixed rules, on `n` new puzzles: half of them to choose.

    Three rules say which heads attend: "published" reads attention from the result to the target,
    as the paper does; "bracket too" also that from the bracket, and "next word too" also that from
    the bracket to the word after the target. Of each: the heads, the three of highest signed drive,
    and what is left without them (`verification.measured`).
    """
    chosen, hits, misses, ability = verification.judged_positions(model, n)
    yes, hit = verification.accepted(model, chosen), chosen.hit.cpu()
    known = {"hits": chosen.where(hit & yes), "misses": chosen.where(~hit & ~yes)}
    readable, looks = {}, {}
    for place, back in verification.SPOTS.items():
        fit, *test = (
            verification.resid_at(model, some, back=back) for some in (chosen, hits, misses)
        )
        probe = [probes.mean_difference(layer, hit.int()) for layer in fit]
        readable[place] = [
            verification.verdict_auc(*(each.scores(part[layer]) for part in test))
            for layer, each in enumerate(probe)
        ]
        looks[place] = {
            kind: verification.attention(model, some, some.target, back=back).mean(-1)
            for kind, some in known.items()
        }
    looks["next word"] = {
        kind: verification.attention(model, some, some.target + 1).mean(-1)
        for kind, some in known.items()
    }
    directions = verification.own_probes(model, chosen)
    valid, invalid = (
        verification.neurons_along(model, directions, n_neurons, sign=sign) for sign in (1, -1)
    )
    both = verification.both(valid, invalid)
    first = verification.most_aligned(model, directions, 2 * n_neurons, each=n_neurons)
    drive = verification.signed_drive(model, first)
    found, rows = {}, {"nothing": lambda at: nullcontext()}
    mlps = {layer: torch.arange(model.cfg.d_mlp) for layer in range(1, model.cfg.n_layers)}
    ablated = {"GLU valid": valid, "GLU valid and invalid": both}
    ablated |= {"MLP 1": {1: mlps[1]}, "MLPs from 1 on": mlps}
    for name, neurons in ablated.items():
        rows[name] = partial(_neurons_out, model, neurons)
    rules = {"published": ["result"], "bracket too": ["result", "bracket"]}
    rules["next word too"] = [*rules["bracket too"], "next word"]
    for rule, places in rules.items():
        seen = torch.stack([looks[place]["hits"] for place in places]).amax(0)
        attending = sorted(map(tuple, (seen > 0.1).nonzero().tolist()), key=lambda at: -drive[at])
        found[rule] = {"attending": attending, "top": attending[:3]}
        for kind, heads in found[rule].items():
            rows[f"{kind}, {rule}"] = partial(_heads_out, model, heads)
    target_heads = found["next word too"]["attending"]
    found["by attention"] = sorted(target_heads, key=lambda head: -seen[head])[:3]
    rows["by attention"] = partial(_heads_out, model, found["by attention"])
    to_result = verification.attention(model, known["hits"], known["hits"].pos - 1).mean(-1)
    found["previous"] = [(0, int(head)) for head in (to_result[0] > 0.5).nonzero()]
    measured = {
        name: verification.measured(model, hits, misses, change) for name, change in rows.items()
    }
    without_mlp = []
    for some in (chosen, hits, misses):
        with verification.without_neurons(model, {1: mlps[1]}, at=some.at(0)):
            without_mlp.append(verification.resid_at(model, some)[2])
    probe = probes.mean_difference(without_mlp[0], hit.int())
    readable["bracket, MLP 1 out, before block 2"] = verification.verdict_auc(
        *(probe.scores(part) for part in without_mlp[1:])
    )

    def others(layer, heads):
        return [(layer, i) for i in range(model.cfg.n_heads) if (layer, i) not in heads]

    neurons = [(layer, neuron) for layer in valid for neuron in valid[layer].tolist()]
    activity = {}
    for kind, some in (("hits", hits), ("misses", misses)):
        for name, heads in (
            ("whole", []),
            ("out", target_heads),
            ("others out", others(1, target_heads)),
        ):
            with verification.without_heads(model, heads, at=some.at(0)):
                activity[f"{kind}, {name}"] = (
                    verification.neuron_activity(model, some, neurons).mean().item()
                )
    generator = torch.Generator().manual_seed(0)
    shape = {"layers": range(model.cfg.n_layers), "n_heads": model.cfg.n_heads}
    for name in ("random neurons", "random heads"):
        some = []
        for _ in range(draws):
            pick = {"layers": both, "d_mlp": model.cfg.d_mlp, "generator": generator}
            change = partial(
                _neurons_out, model, verification.random_neurons(2 * n_neurons, **pick)
            )
            if name == "random heads":
                heads = random_heads(3, but=found["by attention"], generator=generator, **shape)
                change = partial(_heads_out, model, heads)
            some.append(verification.measured(model, hits, misses, change))
        measured[name] = {key: [each[key] for each in some] for key in some[0]}
    return {
        "can": {**ability, "hits": len(hits.pos), "misses": len(misses.pos)},
        "readable": readable,
        "attention": {
            place: {kind: each.tolist() for kind, each in some.items()}
            for place, some in looks.items()
        },
        **found,
        "without": measured,
        "activity": activity,
        "donors": {
            name: verification.donor_cells(
                model, chosen, misses, heads=heads, swap=swap, backs=(0,)
            )
            for name, heads, swap in (
                ("target", target_heads, False),
                ("result", found["previous"], True),
                ("other heads of layer 1", others(1, target_heads), False),
                ("other heads of layer 0", others(0, found["previous"]), True),
            )
            if heads
        },
    }


def _heads_out(model, heads, at):
    return verification.without_heads(model, heads)


def _neurons_out(model, neurons, at):
    return verification.without_neurons(model, neurons, at=at)


def report() -> dict[str, dict]:
    """`study` of each model that does not check a success once more."""
    names = [name for name, recipe in RECIPES.items() if not recipe.recheck]
    return {name: study(load(str(FOLDER / name), device="cpu")) for name in [*names, *REWARDED]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*RECIPES, *REWARDED, "report"]
    parser.add_argument("--name", choices=every)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    for name in [arguments.name] if arguments.name else every:
        if name == "report":
            training.write_json(FOLDER / "report.json", report())
        elif name in REWARDED:
            reinforce(name, device=arguments.device)
        else:
            train(name, device=arguments.device)


if __name__ == "__main__":
    main()
