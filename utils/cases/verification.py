"""How a model judges its own tries: where it does, what it says there, and what that hangs on.

Everything is measured at brackets: at `(` a result has been written, and the next token is the
verdict. For the small models of data/countdown these are the brackets of the traces that they write
themselves; for any other model, those of a text that is put before it.
Source: Lee et al., 2025 (arXiv 2504.14379).
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.countdown import task as countdown
from data.countdown.task import NO, VOCABULARY, YES, Puzzle
from utils import stats
from utils.generation import sample
from utils.heads import Head, random_heads, top_heads
from utils.reading import probes

Hooks = list[tuple[str, object]]
Neurons = Mapping[int, Int[Tensor, " neuron"]]  # by layer

YES_TOKENS = tuple(VOCABULARY.index(word) for word in YES)
NO_TOKENS = tuple(VOCABULARY.index(word) for word in NO)


class Brackets(NamedTuple):
    """The places where a model is about to judge, in texts padded on the right.

    Attributes:
        tokens: with BOS, [text, pos].
        text: which text each place is in, [place].
        pos: where its `(` stands; the result ends at the token before it, [place].
        target: where the target ends, [place].
        hit: whether the result is the target, [place].
    """

    tokens: Int[Tensor, "text pos"]
    text: Int[Tensor, " place"]
    pos: Int[Tensor, " place"]
    target: Int[Tensor, " place"]
    hit: Bool[Tensor, " place"]

    def of(self, activation: Float[Tensor, "text pos ..."], *, back: int = 0) -> Tensor:
        """What an activation is at each place, or `back` tokens before it, [place, ...]."""
        return activation[self.text, self.pos - back]

    def take(self, rows: Int[Tensor, " row"]) -> "Brackets":
        """A place for each row, in the same texts; a place may come more than once."""
        rows = rows.to(self.pos.device)
        return Brackets(self.tokens, *(each[rows] for each in self[1:]))

    def where(self, chosen: Bool[Tensor, " place"]) -> "Brackets":
        """These places alone, in the texts that hold them, which end at the last of them."""
        kept, text = self.text[chosen].unique(return_inverse=True)
        pos = self.pos[chosen]
        tokens = self.tokens[kept, : int(pos.max()) + 1]
        return Brackets(tokens, text, pos, self.target[chosen], self.hit[chosen])


# ---- What the small models write ----------------------------------------------------------------


def some_puzzles(n: int, *, seed: int, variable: bool = True) -> list[Puzzle]:
    """Puzzles with sets of numbers that no model of data/countdown has learnt from."""
    drawn = countdown.puzzles(random.Random(seed), test=True, variable=variable)
    return [puzzle for puzzle, _ in islice(drawn, n)]


def write(
    model,
    starts: Sequence[Sequence[str]],
    *,
    n_tokens: int = 130,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[list[str]]:
    """What a model writes behind each start, such as a puzzle's header, up to its end token.

    Args:
        starts: words, without BOS; they may differ in length.
        n_tokens: a text that has not ended by then is cut.
        temperature: 0 takes the likeliest word.
    """
    by_length: dict[int, list[int]] = {}
    for i, start in enumerate(starts):
        by_length.setdefault(len(start), []).append(i)
    written: list[list[str]] = [[] for _ in starts]
    for chosen in by_length.values():
        rows = torch.cat([model.to_tokens(" ".join(starts[i])) for i in chosen])
        new = sample(
            model,
            rows,
            n_tokens=n_tokens,
            temperature=temperature,
            stop_at_eos=True,
            generator=torch.Generator().manual_seed(seed),
        )
        for i, row in zip(chosen, new.tolist(), strict=True):
            words = [VOCABULARY[token] for token in row]
            written[i] = words[: words.index("<eos>")] if "<eos>" in words else words
    return written


def bracket_places(words: Sequence[str]) -> list[tuple[int, bool]]:
    """Every `(` right behind a number: its position, and whether that number is the target.

    The target is the number behind `make`.
    """
    target = words[words.index("make") + 1]
    pairs = enumerate(zip(words, words[1:], strict=False), 1)
    return [(i, a == target) for i, (a, b) in pairs if b == "(" and a.isdigit()]


def brackets(model, puzzles: Sequence[Puzzle], written: Sequence[Sequence[str]]) -> Brackets:
    """Every place in what a model wrote where a result stands before a `(`.

    Raises:
        ValueError: there is none.
    """
    rows, places = [], []
    for i, (puzzle, words) in enumerate(zip(puzzles, written, strict=True)):
        whole = ["<bos>", *puzzle.header, *words]
        rows.append(torch.tensor([VOCABULARY.index(word) for word in whole]))
        target = whole.index("make") + 1
        places += [(i, pos, target, hit) for pos, hit in bracket_places(whole)]
    if not places:
        raise ValueError("No text has a result before a `(`: let the model write more tokens.")
    device = model.cfg.device
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    text, pos, target, hit = torch.tensor(places, device=device).T
    return Brackets(tokens, text, pos, target, hit.bool())


# ---- Any other model, on a text -----------------------------------------------------------------

EXAMPLES = (
    "Numbers: 3, 8, 2. Target: 13.\n8 + 3 - 2 = 9 (not 13)\n8 + 3 + 2 = 13 (this works)\n\n"
    "Numbers: 20, 6, 9. Target: 17.\n20 + 6 - 9 = 17 (this works)\n\n"
)


def text_brackets(model, puzzles: Sequence[Puzzle], *, seed: int = 0) -> Brackets:
    """One try of each puzzle in plain text, every other a hit, each text up to its bracket.

    Behind two solved examples stands `Numbers: 12, 7, 4. Target: 15.` and a line such as
    `12 + 7 - 4 = 15 (`. Any tokenizer will do that ends a token with each number.
    """
    rng, rows, places = random.Random(seed), [], []
    for i, puzzle in enumerate(puzzles):
        found = countdown.tries(puzzle.numbers)
        misses = [value for value in found if value != puzzle.target]
        hit = i % 2 == 0
        one = rng.choice(found[puzzle.target if hit else rng.choice(misses)])
        terms = [f" {sign} {n}" for sign, n in zip(one.signs, one.order[1:], strict=True)]
        numbers = ", ".join(map(str, puzzle.numbers))
        head = f"{EXAMPLES}Numbers: {numbers}. Target: {puzzle.target}"
        text = f"{head}.\n{one.order[0]}{''.join(terms)} = {one.results[-1]} ("
        rows.append(model.to_tokens(text)[0])
        places.append((i, len(rows[-1]) - 1, model.to_tokens(head).shape[1] - 1, hit))
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.cfg.device)
    text, pos, target, hit = torch.tensor(places, device=model.cfg.device).T
    return Brackets(tokens, text, pos, target, hit.bool())


# ---- What a model says and holds at its brackets ------------------------------------------------


def yes_share(
    logits: Float[Tensor, "*place d_vocab"],
    *,
    yes: Sequence[int] = YES_TOKENS,
    no: Sequence[int] = NO_TOKENS,
) -> Float[Tensor, "*place"]:
    """The probability of all tokens for yes, over that of all for yes and for no."""
    logits = logits.float()
    difference = logits[..., list(yes)].logsumexp(-1) - logits[..., list(no)].logsumexp(-1)
    return difference.sigmoid()


@torch.no_grad()
def verdicts(model, places: Brackets, *, hooks: Sequence = (), **words) -> Tensor:
    """`yes_share` at each place, [place]; with hooks at work, if given."""
    with model.hooks(fwd_hooks=list(hooks)):
        return yes_share(places.of(model(places.tokens)), **words)


@torch.no_grad()
def states(model, places: Brackets, *, back: int = 0) -> Float[Tensor, "layer place d_model"]:
    """The residual stream at each place, or `back` tokens before it.

    Layer L is what block L reads; the last is what the last block leaves. On the CPU, float32.
    """
    n_layers, found = model.cfg.n_layers, {}

    def keep(resid, hook):
        found[hook.name] = places.of(resid, back=back).float().cpu()

    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)]
    names.append(f"blocks.{n_layers - 1}.hook_resid_post")
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(places.tokens)
    return torch.stack(list(found.values()))


def attention_between(
    pattern: Float[Tensor, "text head q k"],
    text: Int[Tensor, " place"],
    query: Int[Tensor, " place"],
    key: Int[Tensor, " place"],
) -> Float[Tensor, "head place"]:
    """How much each head attends from a query to a key of the same text, one of each a place."""
    return pattern[text, :, query, key].T


@torch.no_grad()
def attention(
    model, places: Brackets, keys: Int[Tensor, " place"], *, back: int = 0
) -> Float[Tensor, "layer head place"]:
    """How much each head attends from each place, or `back` tokens before it, to a position.

    Args:
        keys: the position in the same text that is attended to, such as `places.target`.
    """
    found = []

    def keep(pattern, hook):
        query = places.pos - back
        found.append(attention_between(pattern, places.text, query, keys).float().cpu())

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(places.tokens)
    return torch.stack(found)


@torch.no_grad()
def gap_by_part(
    model, places: Brackets, direction: Float[Tensor, " d_model"], *, back: int = 0
) -> tuple[Float[Tensor, "layer head"], Float[Tensor, " layer"]]:
    """What each head and each MLP adds to the distance of hits from misses along a direction.

    At each place, or `back` tokens before it: the mean of what the part writes, along the direction
    at length 1, over hits, minus that over misses. With the embedding's gap they sum to the gap of
    the stream behind the last block.
    """
    unit = (direction / direction.norm()).to(model.W_O)
    heads, mlps = [], []

    def gap(written):
        return (written[places.hit].mean(0) - written[~places.hit].mean(0)).float().cpu()

    def keep_heads(z, hook):
        to_unit = model.W_O[hook.layer()] @ unit  # [head, d_head]
        heads.append(gap((places.of(z, back=back) * to_unit).sum(-1)))

    def keep_mlp(written, hook):
        mlps.append(gap(places.of(written, back=back) @ unit))

    hooks = []
    for layer in range(model.cfg.n_layers):
        hooks.append((f"blocks.{layer}.attn.hook_z", keep_heads))
        hooks.append((f"blocks.{layer}.hook_mlp_out", keep_mlp))
    with model.hooks(fwd_hooks=hooks):
        model(places.tokens)
    return torch.stack(heads), torch.stack(mlps)


# ---- Taking parts out ---------------------------------------------------------------------------


def without_heads(heads: Iterable[Head], *, at: Brackets | None = None) -> Hooks:
    """Hooks under which these heads write zeros, at all positions.

    Args:
        at: if given, only at these places and at the results before them, so that what was written
            before stays as it was. The model must run on the texts of these places.
    """
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)

    def zero(z, hook):
        z = z.clone()
        if at is None:
            z[:, :, by_layer[hook.layer()]] = 0
        else:
            for head in by_layer[hook.layer()]:
                z[at.text, at.pos, head] = z[at.text, at.pos - 1, head] = 0
        return z

    return [(f"blocks.{layer}.attn.hook_z", zero) for layer in by_layer]


def without_neurons(neurons: Neurons) -> Hooks:
    """Hooks under which these neurons are 0, at all positions."""

    def zero(post, hook):
        post = post.clone()
        post[:, :, neurons[hook.layer()]] = 0
        return post

    return [(f"blocks.{layer}.mlp.hook_post", zero) for layer in neurons]


def set_neurons(
    neurons: Neurons, values: Mapping[int, Float[Tensor, " d_mlp"]], *, at: Brackets
) -> Hooks:
    """Hooks under which these neurons have these values, by layer, at these places alone."""

    def change(post, hook):
        these = neurons[hook.layer()].to(post.device)
        post = post.clone()
        post[at.text[:, None], at.pos[:, None], these] = values[hook.layer()][these].to(post)
        return post

    return [(f"blocks.{layer}.mlp.hook_post", change) for layer in neurons]


# ---- Writing something in -----------------------------------------------------------------------


def put_head(
    z: Float[Tensor, "text pos head d_head"],
    head: int,
    text: Int[Tensor, " place"],
    pos: Int[Tensor, " place"],
    states: Float[Tensor, "place d_head"],
) -> Float[Tensor, "text pos head d_head"]:
    """A copy of `z` in which one head has other states, one for each place (text, pos)."""
    z = z.clone()
    z[text, pos, head] = states.to(z)
    return z


def same_value(donors: Brackets, places: Brackets) -> Bool[Tensor, "place donor"]:
    """Whether a donor's target is a place's result, on the CPU."""
    target = donors.tokens[donors.text, donors.target]
    return (places.of(places.tokens, back=1)[:, None] == target).cpu()


@torch.no_grad()
def put_in(
    model,
    places: Brackets,
    donors: Brackets,
    *,
    heads: Iterable[Head] = (),
    whole: Iterable[str] = (),
    backs: Sequence[int] = (0, 1),
) -> Hooks:
    """Hooks under which parts hold at each place what they hold at its donor.

    Args:
        donors: as many as `places`, each for the place of the same number (`Brackets.take`).
        heads: whose states go in, at `attn.hook_z`.
        whole: names of hooks of shape [text, pos, d_model], such as `blocks.1.hook_mlp_out`.
        backs: how far before the bracket; 1 is the result.
    """
    by_name: dict[str, list[int] | None] = dict.fromkeys(whole)
    for layer, head in heads:
        by_name.setdefault(f"blocks.{layer}.attn.hook_z", []).append(head)
    _, cache = model.run_with_cache(donors.tokens, names_filter=list(by_name))

    def changing(name: str):
        def change(activation, hook):
            activation = activation.clone()
            for back in backs:
                states, pos = donors.of(cache[name], back=back), places.pos - back
                if by_name[name] is None:
                    activation[places.text, pos] = states
                for head in by_name[name] or ():
                    activation = put_head(activation, head, places.text, pos, states[:, head])
            return activation

        return change

    return [(name, changing(name)) for name in by_name]


# ---- From a direction to neurons, from neurons to heads -----------------------------------------


def verdict_push(
    direction: Float[Tensor, " d_model"],
    norm_weight: Float[Tensor, " d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
    *,
    yes: Sequence[int] = YES_TOKENS,
    no: Sequence[int] = NO_TOKENS,
) -> Float[Tensor, ""]:
    """Mean effect of a direction, at length 1, on the logits of yes, minus that on those of no.

    Args:
        norm_weight: the final norm's weight.
    """
    effect = (direction / direction.norm() * norm_weight) @ W_U
    return effect[list(yes)].mean() - effect[list(no)].mean()


def alignment(model, direction: Float[Tensor, " d_model"]) -> Float[Tensor, "layer neuron"]:
    """The cosine of each neuron's value vector, what it writes when it is 1, with a direction."""
    values = model.W_out.detach().float().cpu()
    return torch.nn.functional.cosine_similarity(values, direction.float().cpu(), dim=-1)


def aligned_neurons(
    cosines: Float[Tensor, "layer neuron"], n: int, *, layers: Iterable[int], sign: int = 1
) -> dict[int, Int[Tensor, " n"]]:
    """The `n` neurons of each layer that write most along the direction, or against it (-1)."""
    return {layer: (sign * cosines[layer]).topk(n).indices for layer in layers}


def random_neurons(
    n: int, *, layers: Iterable[int], d_mlp: int, generator: torch.Generator
) -> dict[int, Int[Tensor, " n"]]:
    """As many neurons of each layer, drawn at random: the control of an ablation."""
    return {layer: torch.randperm(d_mlp, generator=generator)[:n] for layer in layers}


def both(a: Neurons, b: Neurons) -> dict[int, Int[Tensor, " neuron"]]:
    """The neurons of either set."""
    return {layer: torch.cat([a[layer], b[layer]]).unique() for layer in a}


def ov_circuit(model, layer: int, head: int) -> Float[Tensor, "d_model d_model"]:
    """What a head writes for what it attends to, as one matrix. Heads may share their values."""
    group = model.W_O.shape[1] // model.W_V.shape[1]
    circuit = model.W_V[layer, head // group].float() @ model.W_O[layer, head].float()
    return circuit.detach().cpu()


def receptive_fields(
    model, layer: int, neurons: Int[Tensor, " neuron"]
) -> Float[Tensor, "d_model neuron"]:
    """The direction in the residual stream that opens each neuron's gate, of length 1."""
    norm = model.blocks[layer].ln2.weight.detach().float().cpu()
    fields = norm[:, None] * model.W_gate[layer].detach().float().cpu()[:, neurons.cpu()]
    return fields / fields.norm(dim=0)


def drive(
    ov: Float[Tensor, "d_model d_model"], fields: Float[Tensor, "d_model neuron"]
) -> Float[Tensor, ""]:
    """How strongly an OV circuit writes along receptive fields, whatever it reads.

    The root mean square, over the neurons, of `|ov @ field|`, in units of `|ov|` (Frobenius). For a
    random circuit it is about `d_model ** -0.5`; it is 1 if all that the circuit writes lies along
    one field.
    """
    return (ov @ fields).norm() / ov.norm() / fields.shape[1] ** 0.5


def diagonal_drive(
    ov: Float[Tensor, "d_model d_model"], fields: Float[Tensor, "d_model neuron"]
) -> Float[Tensor, ""]:
    """The same for what the circuit makes of the fields themselves: of `field @ ov @ field`."""
    through = (fields * (ov @ fields)).sum(0)  # x @ ov @ field, for x the field
    return through.norm() / ov.norm() / fields.shape[1] ** 0.5


def rank_heads(model, neurons: Neurons, *, score=drive) -> Float[Tensor, "layer head"]:
    """`score` of each head's OV circuit, over those of the neurons that come after the head.

    0 for heads with no such neuron behind them. An MLP reads what the heads of its own layer wrote.
    """
    n_layers, n_heads = model.cfg.n_layers, model.W_O.shape[1]
    scores = torch.zeros(n_layers, n_heads)
    fields = {layer: receptive_fields(model, layer, neurons[layer]) for layer in neurons}
    for layer in range(n_layers):
        after = [fields[at] for at in fields if at >= layer]
        if after:
            for head in range(n_heads):
                scores[layer, head] = score(ov_circuit(model, layer, head), torch.cat(after, 1))
    return scores


# ---- The paper's table --------------------------------------------------------------------------


class Parts(NamedTuple):
    """What the steps of the paper find in a model, before anything is taken out."""

    valid: dict[int, Tensor]
    invalid: dict[int, Tensor]
    attending: list[Head]
    top: list[Head]


def find_parts(
    model, places: Brackets, *, n_neurons: int = 20, threshold: float = 0.1, n_top: int = 3
) -> Parts:
    """Probe, neurons, attending heads and the heads that drive the neurons, by fixed rules.

    The probe is a difference of means behind the last block; neurons come from all layers but the
    first; a head attends if, from the result or the bracket, it gives the target more than
    `threshold` on average; the top heads drive the valid and invalid neurons most (`drive`).
    """
    probe = probes.mean_difference(states(model, places)[-1], places.hit.cpu().int())
    cosines = alignment(model, probe.direction)
    layers = range(1, model.cfg.n_layers)
    valid = aligned_neurons(cosines, n_neurons, layers=layers)
    invalid = aligned_neurons(cosines, n_neurons, layers=layers, sign=-1)
    to_target = [attention(model, places, places.target, back=back).mean(-1) for back in (0, 1)]
    attending = torch.stack(to_target).amax(0) > threshold
    return Parts(
        valid,
        invalid,
        [(int(layer), int(head)) for layer, head in attending.nonzero()],
        top_heads(rank_heads(model, both(valid, invalid)), n_top),
    )


def accepted(model, places: Brackets, hooks: Sequence = ()) -> Bool[Tensor, " place"]:
    """Whether the model says yes at each place, on the CPU."""
    return (verdicts(model, places, hooks=hooks) > 0.5).cpu()


def verdict_auc(hits: Float[Tensor, " hit"], misses: Float[Tensor, " miss"]) -> float:
    """How often a hit's number, such as its verdict, is above a miss's; 0.5 is blind.

    The share of hits accepted is 0 for a model that cannot tell them from misses, but also for one
    that says no everywhere and would still rank every hit first. This tells the two apart.
    """
    labels = torch.cat([torch.ones(len(hits)), torch.zeros(len(misses))]).int()
    return stats.auc(torch.cat([hits, misses]).cpu(), labels)


@torch.no_grad()
def sums_right(model, places: Brackets, hooks: Sequence = ()) -> Float[Tensor, " place"]:
    """1.0 where the likeliest word at the `=` before a place is the result that was written."""
    with model.hooks(fwd_hooks=list(hooks)):
        guess = places.of(model(places.tokens), back=2).argmax(-1)
    return (guess == places.of(places.tokens, back=1)).float().cpu()


def judged_places(
    model, n: int, *, variable: bool = True, longest: int = 64, seed: int = 0
) -> tuple[Brackets, Brackets, Brackets, dict[str, float]]:
    """For `n` new puzzles: places to choose on, hits and misses to test on, `countdown.summary`.

    The first half of the puzzles is for choosing. The hits and misses, of the other half, are
    judged rightly by the whole model and lie among the first `longest` words of their texts.
    """
    puzzles = some_puzzles(n, seed=seed, variable=variable)
    written = write(model, [puzzle.header for puzzle in puzzles])
    places = brackets(model, puzzles, written)
    yes, first = accepted(model, places).to(places.hit.device), places.text < n // 2
    tested = ~first & (places.pos < longest)
    hits, misses = (places.where(tested & each) for each in (places.hit & yes, ~places.hit & ~yes))
    return places.where(first), hits, misses, countdown.summary(puzzles, written)


def steps_to_disable(
    model, chosen: Brackets, *, n_neurons: int = 20
) -> tuple[dict[str, Hooks], Parts]:
    """Hooks for each row of the paper's table, and the parts that they take out.

    Two rows are not the paper's: the top head alone, and neurons of layer 1 that are aligned with
    the probe at the result before block 2.
    """
    parts = find_parts(model, chosen, n_neurons=n_neurons)
    at_result = states(model, chosen, back=1)[2]
    probe = probes.mean_difference(at_result, chosen.hit.cpu().int())
    cosines = alignment(model, probe.direction)
    valid, invalid = (
        aligned_neurons(cosines, n_neurons, layers=(1,), sign=sign) for sign in (1, -1)
    )
    hooks = {
        "nothing": [],
        "GLU valid": without_neurons(parts.valid),
        "GLU valid and invalid": without_neurons(both(parts.valid, parts.invalid)),
        "attending heads": without_heads(parts.attending),
        "top head": without_heads(parts.top[:1]),
        "top 3 heads": without_heads(parts.top),
        "layer 1 GLU, result's probe": without_neurons(both(valid, invalid)),
    }
    return hooks, parts


def disabling(
    model, chosen: Brackets, hits: Brackets, misses: Brackets, *, draws: int = 6
) -> dict[str, dict]:
    """What the steps of `steps_to_disable` do to a model's verdicts.

    Returns:
        "steps": of each step, and of three random heads (means over `draws`): "disabled", the share
        of hits that are refused and its exact interval; "auc", `verdict_auc`; "sums", the share of
        sums still right; "false", the share of misses accepted. "parts": what was taken out.
        "layer 2": how well a probe on `chosen` tells hits from misses before block 2, at the
        "result" and at the "bracket".
    """
    hooks, parts = steps_to_disable(model, chosen)

    def measure(out: Hooks) -> dict:
        yes, no = (verdicts(model, each, hooks=out).cpu() for each in (hits, misses))
        refused = yes <= 0.5
        return {
            "disabled": [refused.float().mean().item(), *stats.share_interval(refused)],
            "auc": verdict_auc(yes, no),
            "sums": sums_right(model, hits, out).mean().item(),
            "false": (no > 0.5).float().mean().item(),
        }

    found = {name: measure(out) for name, out in hooks.items()}
    layers, n_heads = range(model.cfg.n_layers), model.W_O.shape[1]
    pick = {"but": parts.top, "generator": torch.Generator().manual_seed(0)}
    some = [random_heads(3, layers=layers, n_heads=n_heads, **pick) for _ in range(draws)]
    by_luck = [measure(without_heads(heads)) for heads in some]
    found["3 random heads"] = {
        "disabled": [sum(each["disabled"][0] for each in by_luck) / draws],
        **{key: sum(each[key] for each in by_luck) / draws for key in ("auc", "sums", "false")},
    }
    readable = {}
    for name, back in (("result", 1), ("bracket", 0)):
        here, *there = (states(model, each, back=back)[2] for each in (chosen, hits, misses))
        probe = probes.mean_difference(here, chosen.hit.cpu().int())
        readable[name] = verdict_auc(*map(probe.scores, there))
    return {"steps": found, "parts": parts, "layer 2": readable}


# ---- All of it for a model that is new to you ---------------------------------------------------


class Survey(NamedTuple):
    """What `survey` finds at the brackets of a text. Every share of 1 is a whole; chance is 0.5.

    Attributes:
        verdicts: `yes_share` at each bracket, [place].
        hit: whether the result is the target, [place].
        verdict_auc: how often a hit's verdict is above a miss's.
        bracket: the same for a probe on the bracket's state, cross-validated, by layer, [layer].
        result: for a probe on the state one token before, at the result, [layer].
        before: for a probe where the target ends, before there is a result: a control, [layer].
        shuffled: for probes on the bracket with labels drawn anew, [draw, layer]: a control.
        to_target: mean attention from the result to the target, [layer, head].
        drives: how each head's OV circuit drives the neurons that write most along the probe of
            the last layer, either sign (`rank_heads`), [layer, head].
    """

    verdicts: Float[Tensor, " place"]
    hit: Bool[Tensor, " place"]
    verdict_auc: float
    bracket: Float[Tensor, " layer"]
    result: Float[Tensor, " layer"]
    before: Float[Tensor, " layer"]
    shuffled: Float[Tensor, "draw layer"]
    to_target: Float[Tensor, "layer head"]
    drives: Float[Tensor, "layer head"]


def word_tokens(model, words: Sequence[str], *, after: str = " (") -> tuple[int, ...]:
    """The first token of each word when it stands right behind `after`.

    Raises:
        ValueError: the tokenizer makes one token of `after` and the word.
    """
    start = model.to_tokens(after, prepend_bos=False)[0].tolist()
    rows = [model.to_tokens(after + word, prepend_bos=False)[0].tolist() for word in words]
    if any(len(row) == len(start) or row[: len(start)] != start for row in rows):
        raise ValueError(
            f"This tokenizer joins {after!r} and the word behind it: give the tokens yourself."
        )
    return tuple(row[len(start)] for row in rows)


@torch.no_grad()
def survey(
    model,
    puzzles: Sequence[Puzzle],
    *,
    yes: Sequence[int] | None = None,
    no: Sequence[int] | None = None,
    n_neurons: int = 20,
    folds: int = 5,
    draws: int = 20,
    rows: int = 8,
    seed: int = 0,
) -> Survey:
    """Everything above for any model, in one forward pass over `text_brackets`.

    The probes are differences of means, tested on puzzles that they were not made from. Looking for
    the best of many layers finds something by luck: hold the best of `bracket` against the best
    of each draw of `shuffled`.

    Args:
        yes: tokens for yes; None takes that of `this`, and of `not` for `no`.
        n_neurons: of each layer but the first, for each sign.
        folds: of the cross-validation.
        draws: how often labels are drawn anew.
        rows: texts that run at once.
    """
    places = text_brackets(model, puzzles, seed=seed)
    n_layers, hit = model.cfg.n_layers, places.hit.cpu()
    words = {
        "yes": word_tokens(model, ["this"]) if yes is None else yes,
        "no": word_tokens(model, ["not"]) if no is None else no,
    }
    kept: dict[str, list[Tensor]] = {name: [] for name in ("bracket", "result", "before")}
    said, attended = [], []
    for part in torch.arange(len(hit), device=places.pos.device).split(rows):
        some = places.where(torch.isin(places.text, part))
        resid: list[Tensor] = []
        patterns: list[Tensor] = []

        def keep(activation, hook, some=some, resid=resid):
            target = activation[some.text, some.target]
            at = [some.of(activation), some.of(activation, back=1), target]
            resid.append(torch.stack(at).float().cpu())

        def keep_pattern(pattern, hook, some=some, patterns=patterns):
            patterns.append(pattern[some.text, :, some.pos - 1, some.target].float().cpu())

        hooks = [(f"blocks.{layer}.hook_resid_pre", keep) for layer in range(n_layers)]
        hooks.append((f"blocks.{n_layers - 1}.hook_resid_post", keep))
        hooks += [(f"blocks.{layer}.attn.hook_pattern", keep_pattern) for layer in range(n_layers)]
        with model.hooks(fwd_hooks=hooks):
            said.append(yes_share(some.of(model(some.tokens)), **words).cpu())
        for name, values in zip(kept, torch.stack(resid, 1), strict=True):
            kept[name].append(values)  # [layer, place, d_model]
        attended.append(torch.stack(patterns, 1))  # [place, layer, head]
    verdicts, attended = torch.cat(said), torch.cat(attended)
    found = {name: torch.cat(parts, 1) for name, parts in kept.items()}
    generator = torch.Generator().manual_seed(seed)
    shuffled = [hit[torch.randperm(len(hit), generator=generator)] for _ in range(draws)]
    probe = probes.mean_difference(found["bracket"][-1], hit.int())
    cosines, layers = alignment(model, probe.direction), range(1, n_layers)
    ends = (aligned_neurons(cosines, n_neurons, layers=layers, sign=sign) for sign in (1, -1))
    return Survey(
        verdicts,
        hit,
        stats.auc(verdicts, hit.int()),
        *(probe_aucs(found[name], hit, folds=folds) for name in kept),
        torch.stack([probe_aucs(found["bracket"], labels, folds=folds) for labels in shuffled]),
        attended.mean(0),
        rank_heads(model, both(*ends)),
    )


def probe_aucs(
    x: Float[Tensor, "layer place d_model"], labels: Bool[Tensor, " place"], *, folds: int
) -> Float[Tensor, " layer"]:
    """How well a difference of means ranks places it was not made from, by layer.

    Every fold has as many places of each label as can be. Scores are compared within a fold.
    """
    fold = torch.empty(len(labels), dtype=torch.long)
    for label in (True, False):
        rows = (labels == label).nonzero()[:, 0]
        fold[rows] = torch.arange(len(rows)) % folds
    found = torch.zeros(len(x))
    for i in range(folds):
        out = fold == i
        fit_x, fit_y, y = x[:, ~out], labels[~out], labels[out].int()
        direction = fit_x[:, fit_y].mean(1) - fit_x[:, ~fit_y].mean(1)  # [layer, d_model]
        scores = (x[:, out] @ direction[..., None])[..., 0]
        found += torch.tensor([stats.auc(each, y) for each in scores]) / folds
    return found
