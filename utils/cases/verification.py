"""How a model judges its own tries: where it does, what it says there, and what that hangs on.

Everything is measured at brackets: at `(` a result has been written, and the next token is the
verdict. These are the brackets of the traces that the small models of data/countdown write; for any
other model see `utils.cases.survey`. Source: Lee et al., 2025 (arXiv 2504.14379).
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from transformer_lens.utilities.statistics import success_rate_ci

from data.countdown import task as countdown
from data.countdown.task import NO, VOCABULARY, YES, Puzzle, each_in_words, ids, in_words
from utils import stats
from utils.generation import sample
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    guarded,
    index_of,
    layer_of,
    no_zeros,
    number,
)
from utils.heads import Head, by_layer, random_heads, top_heads
from utils.reading import probes

Neurons = Mapping[int, Int[Tensor, " _"]]  # by layer; of each any number

YES_TOKENS, NO_TOKENS = tuple(ids(YES)), tuple(ids(NO))


@runtime_checkable
class Positions(Protocol):
    """Positions in texts that a model can run on, such as `Brackets`."""

    tokens: Int[Tensor, "text pos"]

    def of(self, activation: Tensor, *, back: int = 0) -> Tensor:
        """What an activation is at each position, or `back` tokens before it."""


def same_texts(tokens: Int[Tensor, "text pos"], activation: Shaped[Tensor, "text pos ..."]) -> None:
    """Raises a ValueError unless an activation is of a run on these tokens."""
    if activation.shape[:2] != tokens.shape:
        raise ValueError(
            f"The positions are in texts of shape {tuple(tokens.shape)}, and this activation is "
            f"{tuple(activation.shape)}: run the model on the positions' own tokens."
        )


def chosen_rows(chosen: Tensor, n: int) -> Tensor:
    """Which of `n` rows are chosen, by True or by their numbers, as numbers.

    Raises:
        ValueError: none is, or there is no such row.
    """
    if chosen.dtype == torch.bool and len(chosen) != n:
        raise ValueError(f"{len(chosen)} answers cannot choose among {n} positions.")
    rows = chosen.nonzero()[:, 0] if chosen.dtype == torch.bool else chosen
    if not len(rows):
        raise ValueError("No position is chosen: give more puzzles, or choose otherwise.")
    if int(rows.min()) < 0 or int(rows.max()) >= n:
        raise ValueError(
            f"Rows count from 0 to {n - 1}, and these go {rows.min()} to {rows.max()}."
        )
    return rows


class Brackets(NamedTuple):
    """The positions where a model is about to judge, in texts padded on the right.

    Attributes:
        tokens: with BOS, [text, pos].
        text: which text each position is in, [position].
        pos: where its `(` stands; the result ends at the token before it, [position].
        target: where the target ends, [position].
        hit: whether the result is the target, [position].
    """

    tokens: Int[Tensor, "text pos"]
    text: Int[Tensor, " position"]
    pos: Int[Tensor, " position"]
    target: Int[Tensor, " position"]
    hit: Bool[Tensor, " position"]

    def of(
        self, activation: Shaped[Tensor, "text pos ..."], *, back: int = 0
    ) -> Shaped[Tensor, "position ..."]:
        """What an activation is at each position, or `back` tokens before it.

        Raises:
            ValueError: it is not of these texts, or there is no such token.
        """
        same_texts(self.tokens, activation)
        at = self.pos - back
        if bool(((at < 0) | (at >= activation.shape[1])).any()):
            raise ValueError(f"Not every text has a token at `back={back}` from its position.")
        return activation[self.text, at]

    def at(self, *backs: int) -> tuple[Int[Tensor, " place"], Int[Tensor, " place"]]:
        """The text and the position of each place so many tokens before a position.

        `at(0)` are the brackets, `at(0, 1)` the brackets and the results before them.
        """
        return self.text.repeat(len(backs)), torch.cat([self.pos - back for back in backs])

    def take(self, rows: Int[Tensor, " row"]) -> "Brackets":
        """A position for each row, in the same texts; a position may come more than once.

        Raises:
            ValueError: there is no row, or one is not among these positions.
        """
        rows = chosen_rows(rows.to(self.pos.device), len(self.pos))
        return Brackets(self.tokens, *(each[rows] for each in self[1:]))

    def where(self, chosen: Bool[Tensor, " position"]) -> "Brackets":
        """These positions alone, in the texts that hold them, which end at the last of them.

        Raises:
            ValueError: none is chosen.
        """
        if chosen.dtype != torch.bool:
            raise ValueError("`where` takes True or False for each position; `take` takes numbers.")
        chosen = chosen_rows(chosen.to(self.pos.device), len(self.pos))
        kept, text = self.text[chosen].unique(return_inverse=True)
        pos = self.pos[chosen]
        tokens = self.tokens[kept, : int(pos.max()) + 1]
        return Brackets(tokens, text, pos, self.target[chosen], self.hit[chosen])


# ---- What the small models write ----------------------------------------------------------------


@guarded(n=count())
def some_puzzles(n: int, *, generator: random.Random, variable: bool = True) -> list[Puzzle]:
    """Puzzles with sets of numbers that no model of data/countdown has learnt from."""
    drawn = countdown.puzzles(generator, test=True, variable=variable)
    return [puzzle for puzzle, _ in islice(drawn, n)]


@guarded(
    model=evaluating, starts=(filled, each_in_words), n_tokens=count(), temperature=number(low=0)
)
def write(
    model,
    starts: Sequence[Sequence[str]],
    *,
    n_tokens: int = 130,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> list[list[str]]:
    """What a model writes after each start, such as a puzzle's header, up to its end token.

    Args:
        starts: words, without BOS; they may differ in length.
        n_tokens: a text that has not ended by then is cut.
        temperature: 0 takes the likeliest word.
        generator: on the CPU; starts of each length draw from a copy of it. Without one, the random
            numbers are the same in each call.

    Raises:
        ValueError: a start has a word that is not in the vocabulary.
    """
    generator = generator or torch.Generator().manual_seed(0)
    by_length: dict[int, list[int]] = {}
    for i, start in enumerate(starts):
        ids(start)  # a word that is not in the vocabulary would be read as another
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
            generator=generator.clone_state(),
        )
        for i, row in zip(chosen, new.tolist(), strict=True):
            words = [VOCABULARY[token] for token in row]
            written[i] = words[: words.index("<eos>")] if "<eos>" in words else words
    return written


def _has_target(words: Sequence[str], _: Mapping) -> str | None:
    """Words with a number after `make`."""
    at = list(words).index("make") + 1 if "make" in words else len(words)
    fits = at < len(words) and words[at].isdigit()
    return None if fits else "has no number after `make`: begin with the puzzle's header"


@guarded(words=(in_words, _has_target))
def bracket_places(words: Sequence[str]) -> list[tuple[int, bool]]:
    """Every `(` right after a number: (its position, whether that number is the target).

    Args:
        words: a header and what was written after it. The target is the number after `make`; the
            text may end at a `(`.
    """
    target = words[words.index("make") + 1]
    found = []
    for i in range(1, len(words)):
        if words[i] == "(" and words[i - 1].isdigit():
            found.append((i, words[i - 1] == target))
    return found


@guarded(written=(as_long_as("puzzles"), each_in_words))
def brackets(model, puzzles: Sequence[Puzzle], written: Sequence[Sequence[str]]) -> Brackets:
    """Every position in what a model wrote where a result stands before a `(`.

    Raises:
        ValueError: there is none.
    """
    rows, found = [], []
    for i, (puzzle, words) in enumerate(zip(puzzles, written, strict=True)):
        whole = ["<bos>", *puzzle.header, *words]
        rows.append(torch.tensor(ids(whole)))
        target = whole.index("make") + 1
        found += [(i, pos, target, hit) for pos, hit in bracket_places(whole)]
    if not found:
        raise ValueError("No text has a result before a `(`: let the model write more tokens.")
    device = model.cfg.device
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    text, pos, target, hit = torch.tensor(found, device=device).T
    return Brackets(tokens, text, pos, target, hit.bool())


# ---- What a model says and holds at its brackets ------------------------------------------------


def _tokens_of(other: str):
    """Some tokens' numbers, in the vocabulary that is the last axis of another argument."""
    in_vocabulary = index_of(other, -1)

    def guard(value: Any, given: Mapping) -> str | None:
        return filled(value, given) or in_vocabulary(list(value), given)

    return guard


@guarded(yes=_tokens_of("logits"), no=_tokens_of("logits"))
def yes_share(
    logits: Float[Tensor, "*position d_vocab"],
    *,
    yes: Sequence[int] = YES_TOKENS,
    no: Sequence[int] = NO_TOKENS,
) -> Float[Tensor, "*position"]:
    """The probability of all tokens for yes, over that of all for yes and for no."""
    logits = logits.float()
    difference = logits[..., list(yes)].logsumexp(-1) - logits[..., list(no)].logsumexp(-1)
    return difference.sigmoid()


@guarded(model=evaluating)
@torch.no_grad()
def verdicts(model, positions: Brackets, **words: Sequence[int]) -> Float[Tensor, " position"]:
    """`yes_share` at each position. `words` are the tokens for `yes` and `no`, if not ours."""
    return yes_share(positions.of(model(positions.tokens)), **words)


def accepted(model, positions: Brackets) -> Bool[Tensor, " position"]:
    """Whether the model says yes at each position, on the CPU."""
    return (verdicts(model, positions) > 0.5).cpu()


@guarded(model=evaluating)
@torch.no_grad()
def sums_right(model, positions: Brackets) -> Float[Tensor, " position"]:
    """1.0 where the likeliest word at the `=` before a position is the result that was written."""
    guess = positions.of(model(positions.tokens), back=2).argmax(-1)
    return (guess == positions.of(positions.tokens, back=1)).float().cpu()


@guarded(model=evaluating)
@torch.no_grad()
def resid_at(
    model, positions: Positions, *, back: int = 0
) -> Float[Tensor, "layer position d_model"]:
    """The residual stream at each position, or `back` tokens before it, on the CPU, float32.

    Layer L is `resid_pre L`; the last, n_layers, is the stream after the last block.
    """
    n_layers, found = model.cfg.n_layers, {}

    def keep(resid, hook):
        found[hook.name] = positions.of(resid, back=back).float().cpu()

    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)]
    names.append(f"blocks.{n_layers - 1}.hook_resid_post")
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(positions.tokens)
    return torch.stack(list(found.values()))


@guarded(
    pattern=axes(4),
    text=index_of("pattern"),
    query=(as_long_as("text"), index_of("pattern", 2)),
    key=(as_long_as("text"), index_of("pattern", 3)),
)
def attention_between(
    pattern: Float[Tensor, "text head q k"],
    text: Int[Tensor, " pair"],
    query: Int[Tensor, " pair"],
    key: Int[Tensor, " pair"],
) -> Float[Tensor, "head pair"]:
    """How much each head attends from each query to its key, for queries and keys in pairs.

    Args:
        pattern: a layer's attention.
        text, query, key: of each pair: the text it is in, the position that attends, and the one
            that is attended to.
    """
    return pattern[text, :, query, key].T


@guarded(model=evaluating)
@torch.no_grad()
def attention(
    model, positions: Brackets, keys: Int[Tensor, " position"], *, back: int = 0
) -> Float[Tensor, "layer head position"]:
    """How much each head attends from each position, or `back` tokens before it, to a position.

    Args:
        keys: the position in the same text that is attended to, such as `positions.target`.

    Raises:
        ValueError: a key comes after the position, which cannot see it.
    """
    found, query = [], positions.pos - back
    if len(keys) == len(query) and bool((keys > query).any()):
        raise ValueError("A key comes after its position, which cannot see it: exchange the two.")

    def keep(pattern, hook):
        found.append(attention_between(pattern, positions.text, query, keys).float().cpu())

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(positions.tokens)
    return torch.stack(found)


def _of_width(value: Tensor, given: Mapping) -> str | None:
    """A direction in the model's residual stream."""
    shape = given["model"].W_out.shape[-1:]
    return None if value.shape == shape else f"has shape {tuple(value.shape)}: give {tuple(shape)}"


def _both_kinds(value: Any, _: Mapping) -> str | None:
    """Positions of which some are hits and some are not."""
    return None if bool(value.hit.any() and (~value.hit).any()) else "need both hits and misses"


@guarded(model=evaluating, positions=_both_kinds, direction=(_of_width, finite, no_zeros))
@torch.no_grad()
def gap_by_part(
    model, positions: Brackets, direction: Float[Tensor, " d_model"], *, back: int = 0
) -> tuple[Float[Tensor, "layer head"], Float[Tensor, " layer"]]:
    """What each head and each MLP adds to the distance of hits from misses along a direction.

    At each position, or `back` tokens before it: the mean of what the part writes, along the
    direction at length 1, over hits, minus that over misses. With the embedding's gap they sum to
    the gap of the stream after the last block.
    """
    unit = (direction / direction.norm()).to(model.W_O)
    heads, mlps = [], []

    def gap(written):
        return (written[positions.hit].mean(0) - written[~positions.hit].mean(0)).float().cpu()

    def keep_heads(z, hook):
        to_unit = model.W_O[hook.layer()] @ unit  # [head, d_head]
        heads.append(gap((positions.of(z, back=back) * to_unit).sum(-1)))

    def keep_mlp(written, hook):
        mlps.append(gap(positions.of(written, back=back) @ unit))

    hooks = []
    for layer in range(model.cfg.n_layers):
        hooks.append((f"blocks.{layer}.attn.hook_z", keep_heads))
        hooks.append((f"blocks.{layer}.hook_mlp_out", keep_mlp))
    with model.hooks(fwd_hooks=hooks):
        model(positions.tokens)
    return torch.stack(heads), torch.stack(mlps)


# ---- Taking parts out ---------------------------------------------------------------------------


@contextmanager
def without_heads(
    model,
    heads: Iterable[Head],
    *,
    at: tuple[Int[Tensor, " place"], Int[Tensor, " place"]] | None = None,
) -> Iterator[None]:
    """Within it, these heads write zeros: their output `hook_z` is zero-ablated.

    Args:
        heads: pairs (layer, number), of any layers.
        at: the text and the position of each place to zero, two tensors of one length; without it,
            everywhere. All else that a head writes stays as it is.
    """
    numbers: dict[int, list[int]] = {}
    for layer, head in heads:
        numbers.setdefault(layer, []).append(head)

    def zero(z, hook):
        z = z.clone()
        for head in numbers[hook.layer()]:
            if at is None:
                z[:, :, head] = 0
            else:
                z[at[0], at[1], head] = 0
        return z

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", zero) for layer in numbers]):
        yield


def _known(neurons: Neurons, given: Mapping) -> str | None:
    """Neurons that the model has, by layer."""
    cfg = given["model"].cfg
    for layer, chosen in neurons.items():
        if not 0 <= layer < cfg.n_layers:
            return f"has layer {layer}: this model has layers 0 to {cfg.n_layers - 1}"
        whole = not chosen.is_floating_point() and chosen.dtype != torch.bool
        if not (whole and bool(((chosen >= 0) & (chosen < cfg.d_mlp)).all())):
            return f"of layer {layer} must be whole numbers from 0 to {cfg.d_mlp - 1}"
    return None


@guarded(neurons=_known)
@contextmanager
def without_neurons(model, neurons: Neurons) -> Iterator[None]:
    """Within it, these neurons are 0, at all positions."""

    def zero(post, hook):
        post = post.clone()
        post[:, :, neurons[hook.layer()]] = 0
        return post

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.mlp.hook_post", zero) for layer in neurons]):
        yield


# ---- Writing something in -----------------------------------------------------------------------


@guarded(
    z=axes(4),
    head=index_of("z", 2),
    text=index_of("z"),
    pos=(as_long_as("text"), index_of("z", 1)),
    states=(axes(2), as_long_as("text")),
)
def put_head(
    z: Float[Tensor, "text pos head d_head"],
    head: int,
    text: Int[Tensor, " position"],
    pos: Int[Tensor, " position"],
    states: Float[Tensor, "position d_head"],
) -> Float[Tensor, "text pos head d_head"]:
    """A copy of `z` in which one head has other states at the given positions.

    Args:
        z: a layer's head outputs.
        text, pos: of each position to change: which text it is in, and where there.
        states: the head's new output at each of them.
    """
    z = z.clone()
    z[text, pos, head] = states.to(z)
    return z


def same_value(donors: Brackets, positions: Brackets) -> Bool[Tensor, "position donor"]:
    """Whether a donor's target is a position's result, on the CPU."""
    target = donors.tokens[donors.text, donors.target]
    return (positions.of(positions.tokens, back=1)[:, None] == target).cpu()


@contextmanager
def put_in(
    model,
    positions: Brackets,
    donors: Brackets,
    *,
    heads: Iterable[Head] = (),
    whole: Iterable[str] = (),
    backs: Sequence[int] = (0, 1),
) -> Iterator[None]:
    """Within it, parts hold at each position what they hold at its donor.

    Args:
        donors: as many as `positions`, each for the position of the same number (`Brackets.take`).
        heads: whose states go in, at `attn.hook_z`.
        whole: names of hooks of shape [text, pos, d_model], such as `blocks.1.hook_mlp_out`.
        backs: how far before the bracket; 1 is the result.

    Raises:
        ValueError: nothing would change, there is no such head or hook, or not as many donors.
    """
    by_name: dict[str, list[int] | None] = dict.fromkeys(whole)
    by_name |= {f"blocks.{at}.attn.hook_z": some for at, some in by_layer(model, heads).items()}
    if not (by_name and backs):
        raise ValueError("Nothing would change: give `heads` or `whole`, and `backs`.")
    if unknown := [name for name in by_name if name not in model.hook_dict]:
        raise ValueError(f"This model has no hook named {unknown[0]!r}.")
    if len(donors.pos) != len(positions.pos):
        raise ValueError(
            f"There are {len(donors.pos)} donors for {len(positions.pos)} positions: give one each."
        )
    with torch.no_grad():
        _, cache = model.run_with_cache(donors.tokens, names_filter=list(by_name))

    def changing(name: str):
        def change(activation, hook):
            same_texts(positions.tokens, activation)
            activation = activation.clone()
            for back in backs:
                states, pos = donors.of(cache[name], back=back), positions.pos - back
                if by_name[name] is None:
                    activation[positions.text, pos] = states
                for head in by_name[name] or ():
                    activation = put_head(activation, head, positions.text, pos, states[:, head])
            return activation

        return change

    with model.hooks(fwd_hooks=[(name, changing(name)) for name in by_name]):
        yield


# ---- From a direction to neurons, from neurons to heads -----------------------------------------


@guarded(
    direction=(finite, no_zeros),
    norm_weight=as_long_as("direction"),
    W_U=as_long_as("direction"),
    yes=_tokens_of("W_U"),
    no=_tokens_of("W_U"),
)
def verdict_push(
    direction: Float[Tensor, " d_model"],
    norm_weight: Float[Tensor, " d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
    *,
    yes: Sequence[int],
    no: Sequence[int],
) -> Float[Tensor, ""]:
    """Mean effect of a direction, at length 1, on the logits of yes, minus that of no.

    Args:
        direction: of any length.
        norm_weight: the final norm's weight.
        yes, no: token ids; there may be more of one than of the other.
    """
    effect = (direction / direction.norm() * norm_weight) @ W_U
    return effect[list(yes)].mean() - effect[list(no)].mean()


@guarded(direction=(_of_width, finite, no_zeros))
def alignment(model, direction: Float[Tensor, " d_model"]) -> Float[Tensor, "layer neuron"]:
    """The cosine of each neuron's out vector, what it writes when it is 1, with a direction.

    Args:
        model: `model.W_out` is [layer, neuron, d_model]; the gate's and the input's weights,
            `W_gate` and `W_in`, are [layer, d_model, neuron].
        direction: of any length.
    """
    values = model.W_out.detach().float().cpu()
    return torch.nn.functional.cosine_similarity(values, direction.float().cpu(), dim=-1)


def _sign(value: int, _: Mapping) -> str | None:
    return None if value in (1, -1) else f"is {value}: 1 is along the direction, -1 against it"


def _at_most_all(value: int, given: Mapping) -> str | None:
    n = given["cosines"].shape[1] if "cosines" in given else given["d_mlp"]
    return None if value <= n else f"is {value}: a layer has {n} neurons"


@guarded(cosines=(axes(2), finite), n=(count(), _at_most_all), sign=_sign)
def aligned_neurons(
    cosines: Float[Tensor, "layer neuron"], n: int, *, layers: Iterable[int], sign: int = 1
) -> dict[int, Int[Tensor, " n"]]:
    """The `n` neurons of each layer that write most along the direction, or against it (-1).

    Raises:
        ValueError: there is no such layer, or not so many neurons.
    """
    layers = list(layers)
    if not all(0 <= layer < len(cosines) for layer in layers):
        raise ValueError(f"Layers count from 0 to {len(cosines) - 1}, and these are {layers}.")
    return {layer: (sign * cosines[layer]).topk(n).indices for layer in layers}


@guarded(d_mlp=count(), n=(count(), _at_most_all))
def random_neurons(
    n: int, *, layers: Iterable[int], d_mlp: int, generator: torch.Generator
) -> dict[int, Int[Tensor, " n"]]:
    """As many neurons of each layer, drawn at random: the control of an ablation."""
    return {layer: torch.randperm(d_mlp, generator=generator)[:n] for layer in layers}


def both(a: Neurons, b: Neurons) -> dict[int, Int[Tensor, " _"]]:
    """The neurons of either set, in the layers of either."""
    return {
        layer: torch.cat([each[layer] for each in (a, b) if layer in each]).unique()
        for layer in dict.fromkeys([*a, *b])
    }


def _head_of_model(value: int, given: Mapping) -> str | None:
    top = given["model"].W_O.shape[1] - 1
    return None if 0 <= value <= top else f"is {value}: this model has heads 0 to {top}"


@guarded(layer=layer_of(end=False), head=_head_of_model)
def ov_circuit(model, layer: int, head: int) -> Float[Tensor, "d_model d_model"]:
    """What a head writes for what it attends to, as one matrix. Heads may share their values."""
    group = model.W_O.shape[1] // model.W_V.shape[1]
    circuit = model.W_V[layer, head // group].float() @ model.W_O[layer, head].float()
    return circuit.detach().cpu()


@guarded(neurons=lambda value, given: _known({given["layer"]: value}, given))
def receptive_fields(
    model, layer: int, neurons: Int[Tensor, " neuron"]
) -> Float[Tensor, "d_model neuron"]:
    """The direction in the residual stream that opens each neuron's gate, of length 1.

    Raises:
        ValueError: the model's MLPs have no gates.
    """
    if not model.cfg.gated_mlp:
        raise ValueError("The neurons of this model have no gates: use one with a gated MLP.")
    norm = model.blocks[layer].ln2.weight.detach().float().cpu()
    fields = norm[:, None] * model.W_gate[layer].detach().float().cpu()[:, neurons.cpu()]
    return fields / fields.norm(dim=0)


def _unit_columns(value: Tensor, given: Mapping) -> str | None:
    """Fields of length 1, as columns, of the circuit's size."""
    if value.ndim != 2 or value.shape[0] != len(given["ov"]) or not value.shape[1]:
        return f"has shape {tuple(value.shape)}: give a column of {len(given['ov'])} for each field"
    unit = (value.norm(dim=0) - 1).abs().max() < 1e-2
    return None if unit else "must have columns of length 1: divide by `norm(dim=0)`"


@guarded(
    ov=(axes(2), finite, lambda ov, given: no_zeros(ov.flatten(), given)), fields=_unit_columns
)
def drive(
    ov: Float[Tensor, "d_model d_model"], fields: Float[Tensor, "d_model neuron"]
) -> Float[Tensor, ""]:
    """How strongly a head writes along receptive fields, whatever it reads.

    The root mean square, over neurons, of the length of `ov` times the field, divided by the size
    of `ov` (its Frobenius norm, the root of the sum of all its squared entries).

    Args:
        ov: a head's OV circuit; vectors are rows: the head writes `x @ ov`.
        fields: a column each, of length 1.
    """
    lengths = (ov @ fields).norm(dim=0)
    return lengths.square().mean().sqrt() / ov.norm()


@guarded(
    ov=(axes(2), finite, lambda ov, given: no_zeros(ov.flatten(), given)), fields=_unit_columns
)
def diagonal_drive(
    ov: Float[Tensor, "d_model d_model"], fields: Float[Tensor, "d_model neuron"]
) -> Float[Tensor, ""]:
    """The root mean square, over neurons, of `field @ ov @ field`, divided by the size of `ov`.

    Args:
        ov: a head's OV circuit; the head writes `x @ ov`.
        fields: a column each, of length 1.
    """
    through = (fields * (ov @ fields)).sum(0)
    return through.square().mean().sqrt() / ov.norm()


@guarded(neurons=(filled, _known))
def rank_heads(model, neurons: Neurons, *, score=drive) -> Float[Tensor, "layer head"]:
    """`score` of each head's OV circuit, over those of the neurons that come after the head.

    0 for heads with no such neuron after them. An MLP reads what the heads of its own layer wrote.
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


@guarded(
    model=evaluating,
    positions=_both_kinds,
    n_neurons=count(),
    threshold=number(low=0, high=1),
    n_top=count(),
)
def find_parts(
    model, positions: Brackets, *, n_neurons: int = 20, threshold: float = 0.1, n_top: int = 3
) -> Parts:
    """Probe, neurons, attending heads and the heads that drive the neurons, by fixed rules.

    The probe is a difference of means after the last block; neurons come from all layers but the
    first; a head attends if, from the result or the bracket, it gives the target more than
    `threshold` on average; the top heads drive the valid and invalid neurons most (`drive`).
    """
    probe = probes.mean_difference(resid_at(model, positions)[-1], positions.hit.cpu().int())
    cosines = alignment(model, probe.direction)
    layers = range(1, model.cfg.n_layers)
    valid = aligned_neurons(cosines, n_neurons, layers=layers)
    invalid = aligned_neurons(cosines, n_neurons, layers=layers, sign=-1)
    keys = positions.target
    to_target = [attention(model, positions, keys, back=back).mean(-1) for back in (0, 1)]
    attending = torch.stack(to_target).amax(0) > threshold
    return Parts(
        valid,
        invalid,
        [(int(layer), int(head)) for layer, head in attending.nonzero()],
        top_heads(rank_heads(model, both(valid, invalid)), n_top),
    )


@guarded(hits=(filled, finite), misses=(filled, finite))
def verdict_auc(hits: Float[Tensor, " hit"], misses: Float[Tensor, " miss"]) -> float:
    """How often a hit's number, such as its verdict, is above a miss's; 0.5 is blind.

    The share of hits accepted is 0 for a model that cannot tell them from misses, but also for one
    that says no everywhere and would still rank every hit first. This tells the two apart.
    """
    labels = torch.cat([torch.ones(len(hits)), torch.zeros(len(misses))]).int()
    return stats.auc(torch.cat([hits, misses]).cpu(), labels)


@guarded(n=count(low=2), longest=count())
def judged_positions(
    model,
    n: int,
    *,
    variable: bool = True,
    longest: int = 64,
    generator: random.Random | None = None,
) -> tuple[Brackets, Brackets, Brackets, dict[str, float]]:
    """For `n` new puzzles: positions to choose on, hits and misses to test on, `countdown.ability`.

    The first half of the puzzles is for choosing. The hits and misses, of the other half, are
    judged rightly by the whole model and lie among the first `longest` words of their texts.

    Args:
        generator: of the puzzles; without one they are the same in each call.

    Raises:
        ValueError: too few puzzles: none of one kind is left.
    """
    puzzles = some_puzzles(n, generator=generator or random.Random(0), variable=variable)
    written = write(model, [puzzle.header for puzzle in puzzles])
    found = brackets(model, puzzles, written)
    yes, first = accepted(model, found).to(found.hit.device), found.text < n // 2
    tested = ~first & (found.pos < longest)
    hits, misses = (found.where(tested & each) for each in (found.hit & yes, ~found.hit & ~yes))
    return found.where(first), hits, misses, countdown.ability(puzzles, written)


@guarded(n_neurons=count())
def steps_to_disable(
    model, chosen: Brackets, *, n_neurons: int = 20
) -> tuple[dict[str, Callable[[], AbstractContextManager]], Parts]:
    """What takes out the parts of each row of the paper's table, and these parts.

    Two rows are not the paper's: the top head alone, and neurons of layer 1 that are aligned with
    the probe at the result before block 2.

    Returns:
        For each row what opens a context without its parts, as in `with steps["top head"]():`.

    Raises:
        ValueError: the model has one layer.
    """
    if model.cfg.n_layers < 2:
        raise ValueError("The paper's table needs a model of two layers or more.")
    parts = find_parts(model, chosen, n_neurons=n_neurons)
    at_result = resid_at(model, chosen, back=1)[2]
    probe = probes.mean_difference(at_result, chosen.hit.cpu().int())
    cosines = alignment(model, probe.direction)
    valid, invalid = (
        aligned_neurons(cosines, n_neurons, layers=(1,), sign=sign) for sign in (1, -1)
    )
    heads, neurons = partial(without_heads, model), partial(without_neurons, model)
    steps = {
        "nothing": nullcontext,
        "GLU valid": partial(neurons, parts.valid),
        "GLU valid and invalid": partial(neurons, both(parts.valid, parts.invalid)),
        "attending heads": partial(heads, parts.attending),
        "top head": partial(heads, parts.top[:1]),
        "top 3 heads": partial(heads, parts.top),
        "layer 1 GLU, result's probe": partial(neurons, both(valid, invalid)),
    }
    return steps, parts


@guarded(draws=count())
def disabling(
    model, chosen: Brackets, hits: Brackets, misses: Brackets, *, draws: int = 6
) -> dict[str, dict | Parts]:
    """What the steps of `steps_to_disable` do to a model's verdicts.

    Returns:
        "steps": of each step, and of three random heads (means over `draws`): "disabled", the share
        of hits that are refused, and (not of random heads) "interval", its exact one; "auc",
        `verdict_auc`; "sums", the share of sums still right; "false", the share of misses accepted.
        "parts": what was taken out. "layer 2": how well a probe on `chosen` tells hits from misses
        before block 2, at the "result" and at the "bracket".
    """
    steps, parts = steps_to_disable(model, chosen)

    def measured() -> dict[str, float | stats.Interval]:
        yes, no = (verdicts(model, each).cpu() for each in (hits, misses))
        refused = success_rate_ci((yes <= 0.5).tolist())
        return {
            "disabled": refused.point_estimate,
            "interval": stats.Interval(refused.ci_low, refused.ci_high),
            "auc": verdict_auc(yes, no),
            "sums": sums_right(model, hits).mean().item(),
            "false": (no > 0.5).float().mean().item(),
        }

    found = {}
    for name, taken_out in steps.items():
        with taken_out():
            found[name] = measured()
    layers, n_heads = range(model.cfg.n_layers), model.W_O.shape[1]
    pick = {"but": parts.top, "generator": torch.Generator().manual_seed(0)}
    by_luck = []
    for _ in range(draws):
        with without_heads(model, random_heads(3, layers=layers, n_heads=n_heads, **pick)):
            by_luck.append(measured())
    found["3 random heads"] = {
        key: sum(each[key] for each in by_luck) / draws
        for key in ("disabled", "auc", "sums", "false")
    }
    readable = {}
    for name, back in (("result", 1), ("bracket", 0)):
        here, *there = (resid_at(model, each, back=back)[2] for each in (chosen, hits, misses))
        probe = probes.mean_difference(here, chosen.hit.cpu().int())
        readable[name] = verdict_auc(*map(probe.scores, there))
    return {"steps": found, "parts": parts, "layer 2": readable}
