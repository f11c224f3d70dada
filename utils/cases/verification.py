"""How a model judges its own tries: where it does, what it says there, and what that hangs on.

Everything is measured at brackets: at `(` a result has been written, and the next token is the
verdict. These are the brackets of the traces that the small models of data/countdown write; for any
other model see `utils.cases.survey`. Source: Lee et al., 2025 (arXiv 2504.14379).
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice, pairwise
from operator import index
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence as pad

from data.countdown import task as countdown
from data.countdown.task import NO, VOCABULARY, YES, Puzzle, each_in_words, ids, in_words
from utils import stats
from utils.generation import bare_model, sample
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    guarded,
    index_of,
    number,
)
from utils.heads import Head, by_layer
from utils.reading import probes

Neurons = Mapping[int, Int[Tensor, " _"]]  # by layer; of each any number

Places = tuple[Int[Tensor, " place"], Int[Tensor, " place"]]  # of each, its text and its position

Intervention = Callable[[Places], AbstractContextManager]  # at work at these places while open

SPOTS = {"=": 2, "result": 1, "bracket": 0}  # how many tokens before the bracket

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

    def at(self, *backs: int) -> "Places":
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
    if len(keys) != len(query):
        raise ValueError(f"`keys` has {len(keys)} entries, and there are {len(query)} positions.")
    if bool((keys > query).any()):
        raise ValueError("A key comes after its position, which cannot see it: exchange the two.")

    def keep(pattern, hook):
        found.append(pattern[positions.text, :, query, keys].T.float().cpu())

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(positions.tokens)
    return torch.stack(found)


# ---- Taking parts out ---------------------------------------------------------------------------


@guarded(heads=lambda heads, given: by_layer(given["model"], heads) and None)
@contextmanager
def without_heads(
    model,
    heads: Sequence[Head],
    *,
    at: Places | None = None,
) -> Iterator[None]:
    """Within it, these heads write zeros: their output `hook_z` is zero-ablated.

    On leaving, also by an error, its own hooks go away and others stay. The `z` that a hook is
    given is not changed itself.

    Args:
        heads: pairs (layer, number), of any layers.
        at: of each place to zero the text, and the position in it: two tensors of one length, which
            go in pairs. All heads are zeroed at all places; without `at`, everywhere.
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
def without_neurons(model, neurons: Neurons, *, at: Places | None = None) -> Iterator[None]:
    """Within it, these neurons are 0: at some places, or everywhere. `at` as in `without_heads`."""

    def zero(post, hook):
        post, these = post.clone(), neurons[hook.layer()].to(post.device)
        if at is None:
            post[:, :, these] = 0
        else:
            post[at[0][:, None], at[1][:, None], these] = 0
        return post

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.mlp.hook_post", zero) for layer in neurons]):
        yield


# ---- Writing something in -----------------------------------------------------------------------


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
                    activation[positions.text, pos, head] = states[:, head]
            return activation

        return change

    with model.hooks(fwd_hooks=[(name, changing(name)) for name in by_name]):
        yield


# ---- Neurons -----------------------------------------------------------------------------------


def _sign(value: int, _: Mapping) -> str | None:
    return None if value in (1, -1) else f"is {value}: 1 is along the direction, -1 against it"


def _at_most_all(value: int, given: Mapping) -> str | None:
    n = given["model"].cfg.d_mlp if "model" in given else given["d_mlp"]
    return None if value <= n else f"is {value}: a layer has {n} neurons"


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


def _known_pairs(neurons: Sequence[tuple[int, int]], given: Mapping) -> str | None:
    """Neurons that the model has, as pairs."""
    by_layer = {
        layer: torch.tensor([i for at, i in neurons if at == layer]) for layer, _ in neurons
    }
    return filled(neurons, given) or _known(by_layer, given)


def _gated(model: Any, _: Mapping) -> str | None:
    is_gated = getattr(model.cfg, "gated_mlp", True)
    return None if is_gated else "has neurons without gates: use one with a gated MLP"


def _of_mlps(neurons: Sequence[tuple[int, int]], given: Mapping) -> str | None:
    """Neurons that the model's weights have, as pairs."""
    n_layers, _, n = given["model"].W_in.shape
    odd = [pair for pair in neurons if not (0 <= pair[0] < n_layers and 0 <= pair[1] < n)]
    has = f"this model has layers 0 to {n_layers - 1} of {n} neurons"
    return filled(neurons, given) or (f"has {tuple(odd[0])}: {has}" if odd else None)


# ---- As published --------------------------------------------------------------------------------


def own_probes(model, positions: Brackets) -> Float[Tensor, "layer d_model"]:
    """The direction of a logistic probe for hits at the brackets, after each layer's block."""
    streams, labels = resid_at(model, positions)[1:], positions.hit.cpu().int()
    return torch.stack([probes.logistic(stream, labels).direction for stream in streams])


@guarded(n=(count(), _at_most_all), sign=_sign)
def neurons_along(
    model, directions: Float[Tensor, "layer d_model"], n: int, *, sign: int = 1
) -> dict[int, Int[Tensor, " n"]]:
    """The `n` neurons of each layer that write most along this layer's own direction, by cosine.

    Args:
        model: `W_out` is [layer, neuron, d_model], what each neuron writes when it is 1.
        directions: one for each layer of the model.
        sign: 1 takes those that write along it, -1 those that write against it.

    Returns:
        Layer -> the neurons' numbers, in any order, for the upper half: `n_layers // 2` and up.
    """
    W_out = model.W_out.detach().float().cpu()  # [layer, neuron, d_model]
    cosines = torch.cosine_similarity(W_out, directions[:, None], dim=-1)
    return {
        layer: (sign * cosines[layer]).topk(n).indices
        for layer in range(len(W_out) // 2, len(W_out))
    }


def most_aligned(
    model, directions: Float[Tensor, "layer d_model"], n: int, *, each: int
) -> list[tuple[int, int]]:
    """The `n` neurons of the whole model that write most along any direction of the upper half.

    As published: of each layer up to a direction's own, the first `each` count; a neuron's cosine
    is the highest that it has with any direction.
    """
    W_out, found = model.W_out.detach().float().cpu(), {}
    for own in range(len(W_out) // 2, len(W_out)):
        for layer in range(own + 1):
            cosines = torch.cosine_similarity(W_out[layer], directions[own], dim=-1).topk(each)
            for value, neuron in zip(*(part.tolist() for part in cosines), strict=True):
                found[layer, neuron] = max(value, found.get((layer, neuron), -1.0))
    return sorted(found, key=found.get, reverse=True)[:n]


@guarded(model=_gated, neurons=_of_mlps)
def signed_drive(model, neurons: Sequence[tuple[int, int]]) -> Float[Tensor, "layer head"]:
    """How far each head opens neurons with what it copies, signed: the mean over the neurons.

    A head's copying direction d is the diagonal of its OV circuit, W_V W_O, one entry for each
    dimension of the stream. What a neuron makes of it is silu(gate . d) (up . d), with the neuron's
    columns of `W_gate` and `W_in`. All neurons count for each head, and nothing is normalised.

    Args:
        model: `W_V` is [layer, kv_head, d_model, d_head], where several heads may share one (the
            first `n_heads / n_kv_heads` share the first); `W_O` is [layer, head, d_head, d_model];
            `W_gate` and `W_in` (up) are [layer, d_model, neuron].
        neurons: pairs (layer, neuron).

    Source: the code of Lee et al., 2025 (github.com/ajyl/verify_circuit).
    """
    W_V, W_O = model.W_V.detach().float(), model.W_O.detach().float()
    W_V = W_V.repeat_interleave(W_O.shape[1] // W_V.shape[1], dim=1)
    copied = torch.einsum("lhdk,lhkd->lhd", W_V, W_O)
    gate = torch.stack([model.W_gate[layer, :, i].detach().float() for layer, i in neurons])
    up = torch.stack([model.W_in[layer, :, i].detach().float() for layer, i in neurons])
    opened = torch.nn.functional.silu(copied @ gate.T) * (copied @ up.T)  # [layer, head, neuron]
    return opened.mean(-1)


@guarded(model=evaluating, n_tokens=count())
@torch.no_grad()
def write_on(
    model, positions: Brackets, change: Intervention, *, n_tokens: int = 50
) -> list[list[str]]:
    """What a model writes after each bracket, greedily, where a change is at work at brackets only.

    As published: whenever the last token is a `(`, the whole text runs again within the change, and
    the next token comes from that run. All other tokens come from the unchanged model.

    Args:
        change: given the places of the brackets, opens a context, as in
            `lambda at: without_heads(model, heads, at=at)`.
        n_tokens: a text that has not ended by then is cut.
    """
    plain, (opening,), (end,) = bare_model(model), ids(["("]), ids(["<eos>"])
    rows = [
        positions.tokens[text, : pos + 1].tolist()
        for text, pos in zip(positions.text.tolist(), positions.pos.tolist(), strict=True)
    ]
    starts, device = [len(row) for row in rows], model.cfg.device
    new = pad([torch.tensor(row) for row in rows], batch_first=True, padding_side="left")
    mask, past = (new > 0).long(), None  # 0 is <pad>
    for _ in range(n_tokens):
        at = (mask.cumsum(-1) - 1).clamp(min=0)[:, -new.shape[1] :]
        out = plain(
            input_ids=new.to(device),
            attention_mask=mask.to(device),
            position_ids=at.to(device),
            past_key_values=past,
            use_cache=True,
        )
        past, following = out.past_key_values, out.logits[:, -1].argmax(-1).cpu()
        if judging := [i for i, row in enumerate(rows) if row[-1] == opening]:
            texts = pad([torch.tensor(rows[i]) for i in judging], batch_first=True).to(device)
            last = torch.tensor([len(rows[i]) - 1 for i in judging], device=device)
            places = torch.arange(len(judging), device=device), last
            with change(places):
                following[judging] = model(texts)[places].argmax(-1).cpu()
        for row, token in zip(rows, following.tolist(), strict=True):
            row.append(end if row[-1] == end else token)
        if all(row[-1] == end for row in rows):
            break
        new = torch.tensor([[row[-1]] for row in rows])
        mask = torch.cat([mask, torch.ones_like(new)], 1)
    written = [row[start:] for row, start in zip(rows, starts, strict=True)]
    ends = [row.index(end) + 1 if end in row else len(row) for row in written]
    return [[VOCABULARY[t] for t in row[:to]] for row, to in zip(written, ends, strict=True)]


@guarded(written=(filled, each_in_words))
def outcomes(written: Sequence[Sequence[str]]) -> dict[str, float]:
    """Shares of what was written after hits: by its words, as published.

    "accepted": it says `this works` somewhere, or so with another word for yes. "disabled": it
    neither says so nor ends. "mixed": it ends (the paper's model: gives an answer) without it.
    """
    said = [
        any(word in YES and after == "works" for word, after in pairwise(words))
        for words in written
    ]
    mixed = [not yes and "<eos>" in words for yes, words in zip(said, written, strict=True)]
    n = len(written)
    return {
        "accepted": sum(said) / n,
        "disabled": (n - sum(said) - sum(mixed)) / n,
        "mixed": sum(mixed) / n,
    }


@guarded(neurons=_known_pairs)
@torch.no_grad()
def neuron_activity(
    model, positions: Positions, neurons: Sequence[tuple[int, int]]
) -> Float[Tensor, "position neuron"]:
    """How far each neuron is on at each position: its factor of its out vector, `mlp.hook_post`.

    Args:
        positions: `positions.tokens` is [text, pos]; position i is in text `positions.text[i]`, at
            `positions.pos[i]`. A text may hold several.
        neurons: pairs (layer, neuron), of any layers, in the order of the result's columns.
    """
    kept = {}

    def keep(post, hook):
        kept[hook.layer()] = post[positions.text, positions.pos]

    names = {f"blocks.{layer}.mlp.hook_post" for layer, _ in neurons}
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(positions.tokens)
    return torch.stack([kept[layer][:, neuron] for layer, neuron in neurons], dim=1)


@guarded(result=as_long_as("target"), wanted=axes(1))
def allowed_donors(
    target: Int[Tensor, " donor"],
    result: Int[Tensor, " donor"],
    wanted: Int[Tensor, " position"],
    *,
    hit: bool,
    matched: bool,
) -> Bool[Tensor, "position donor"]:
    """Which donors may give their state to which position, for one of four kinds of donor.

    Args:
        target, result: of each donor. It is a hit where the two are equal, and a miss elsewhere.
        wanted: of each position that is changed, the number that it has as its result. A donor is
            *matched* to the position if the donor's target is this number, whatever its result.
        hit: whether the donor shall be a hit, or else a miss.
        matched: whether it shall be matched, or else not.
    """
    is_hit = target == result
    is_matched = target == wanted[:, None]
    return (is_hit == hit) & (is_matched == matched)


def verdict_log_odds(model, positions: Brackets) -> Float[Tensor, " position"]:
    """Of yes against no at each position, in nats, on the CPU."""
    return verdicts(model, positions).double().logit().float().cpu()


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


def measured(model, hits: Brackets, misses: Brackets, change: Intervention) -> dict[str, float]:
    """What a change does to the verdicts of a model.

    Returns:
        The `outcomes` of writing on behind the hits; "gap", the mean log-odds of yes at hits less
        that at misses, in nats; "auc", `verdict_auc` of them; "false", the share of misses that are
        accepted; and "sums", the share of sums right where the change is at work on the whole text.
    """
    found = outcomes(write_on(model, hits, change))
    odds, right = [], []
    for each in (hits, misses):
        with change(each.at(0)):
            odds.append(verdict_log_odds(model, each))
            right.append(sums_right(model, each))
    return {
        **found,
        "gap": (odds[0].mean() - odds[1].mean()).item(),
        "auc": verdict_auc(*odds),
        "false": (odds[1] > 0).float().mean().item(),
        "sums": right[0].mean().item(),
    }


KINDS = {  # of donors: whether a hit, whether its target is what the changed position has as result
    "matched hit": (True, True),
    "other hit": (True, False),
    "matched miss": (False, True),
    "other miss": (False, False),
}


@torch.no_grad()
def donor_cells(
    model,
    donors: Brackets,
    misses: Brackets,
    *,
    allowed=allowed_donors,
    swap: bool = False,
    seed: int = 0,
    **parts,
) -> dict[str, float]:
    """The share of misses accepted with `parts` put in from each of the four `KINDS` of donors.

    Only misses that have donors of all kinds take part. Donors are drawn at random, without regard
    to what else they hold.

    Args:
        allowed: as `allowed_donors`.
        swap: exchange target and result everywhere: a donor is matched if its *result* is what the
            changed position has as its *target*.
        seed: of the draws.
        parts: what is put in, as in `put_in`.

    Raises:
        ValueError: no miss has donors of all kinds.
    """
    has, needs = (
        [each.tokens[each.text, each.target], each.of(each.tokens, back=1)]
        for each in (donors, misses)
    )
    target, result = reversed(has) if swap else has
    wanted = needs[0] if swap else needs[1]
    may = {
        kind: allowed(target, result, wanted, hit=hit, matched=matched).cpu()
        for kind, (hit, matched) in KINDS.items()
    }
    able = torch.stack([each.any(1) for each in may.values()]).all(0)
    given, found = misses.where(able), {}
    for kind, each in may.items():
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.multinomial(each[able].float(), 1, generator=generator)[:, 0]
        with put_in(model, given, donors.take(drawn), **parts):
            found[kind] = accepted(model, given).float().mean().item()
    return found


# ---- Reward for answers alone --------------------------------------------------------------------


def _rewards(reward: Tensor, given: Mapping) -> str | None:
    n = len(given["tokens"])
    fits = reward.ndim == 2 and reward.numel() == n and reward.shape[1] > 1
    return None if fits else f"must be [puzzle, sample], two samples or more, for {n} texts"


@guarded(logits=as_long_as("tokens"), start=as_long_as("tokens"), reward=_rewards)
def policy_gradient_loss(
    logits: Float[Tensor, "text pos d_vocab"],
    tokens: Int[Tensor, "text pos"],
    start: Int[Tensor, " text"],
    reward: Float[Tensor, "puzzle sample"],
) -> Float[Tensor, ""]:
    """The loss whose fall makes rewarded texts likelier: REINFORCE, with a baseline as in GRPO.

    A text's advantage is its reward less the mean of its puzzle's, over their standard deviation
    (`torch.std`) plus 1e-4. The loss is minus the mean, over all tokens that the model wrote in
    all texts together, of the advantage of their text times the natural log of their probability.
    Its gradient reaches `logits`.

    Args:
        logits: at position p, for the token at p + 1.
        tokens: padded on the right with 0, which nothing else is. All samples of the first puzzle
            come first, and so on.
        start: of each text, the position of the first token that the model wrote.
        reward: of each text, whose row in the others is `puzzle * n_samples + sample`.

    Source: Shao et al., 2024 (arXiv 2402.03300).
    """
    advantage = (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)
    log_probs = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    at = torch.arange(1, tokens.shape[1], device=tokens.device)
    written = (at >= start[:, None]) & (tokens[:, 1:] > 0)
    return -(advantage.flatten()[:, None] * log_probs * written).sum() / written.sum()


class Lab:
    """A model whose heads may be ablated so many times: the investigation of lesson 5.1.

    Heads are pairs of layer and number, in a list or a tensor [head, 2]; repeated ones count once.

    Attributes:
        model: free to look at, as are `hits` and `misses`, some of its judged positions.
        left: how many ablations are left.
        answers_left: how often `hand_in` still measures.
    """

    def __init__(self, model, *, ablations: int):
        self.model, self.left, self.answers_left = model, ablations, 3
        _, self.hits, self.misses, _ = judged_positions(model, 120, generator=random.Random(1))

    def without(self, heads: Iterable[Head] | Int[Tensor, "head 2"]) -> dict[str, float]:
        """Shares left without these heads, out of the whole text: of the gap, and of right sums.

        Raises:
            ValueError: there is no such head, or no ablation is left.
        """
        if not self.left:
            raise ValueError("No ablation is left: hand in your answer by `lab.hand_in(heads)`.")
        found = self._measured(self._pairs(heads), self.hits, self.misses)
        self.left -= 1
        return {**found, "ablations left": self.left}

    def hand_in(self, heads: Iterable[Head] | Int[Tensor, "head 2"]) -> dict[str, Any]:
        """The answer: the heads, and what is left without them on other puzzles.

        Raises:
            ValueError: there is no such head, or three answers were handed in.
        """
        if not self.answers_left:
            raise ValueError("Three answers were handed in: make the lab anew to begin again.")
        pairs = self._pairs(heads)
        self.answers_left -= 1
        _, hits, misses, _ = judged_positions(self.model, 200, generator=random.Random(2))
        return {"heads": pairs, **self._measured(pairs, hits, misses)}

    def _pairs(self, heads: Iterable) -> list[Head]:
        """These heads as tuples of ints, each once, in the order given."""
        try:
            pairs = [(index(layer), index(head)) for layer, head in heads]
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                "Give heads as pairs of layer and number, whole numbers, such as [(4, 1), (5, 0)]."
            ) from error
        by_layer(self.model, pairs)  # refuses what this model does not have
        return list(dict.fromkeys(pairs))

    def _measured(self, heads: Sequence[Head], hits, misses) -> dict[str, float]:
        gaps = []
        for out in ([], heads):
            with without_heads(self.model, out):
                yes, no = (verdict_log_odds(self.model, each).mean() for each in (hits, misses))
                sums = sums_right(self.model, hits).mean().item()
            gaps.append((yes - no).item())
        return {"gap left": round(gaps[1] / gaps[0], 3), "sums right": round(sums, 3)}
