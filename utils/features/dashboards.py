"""Latents of a sparse autoencoder: where they are active, descriptions, ablation, steering.

A latent is one unit of a sparse autoencoder. The functions take its activations at every token of
some texts, laid end to end; so any direction that competes with others can stand in for a latent.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from utils.features.guards import whole
from utils.guards import (
    as_long_as,
    axes,
    count,
    evaluating,
    filled,
    finite,
    floating,
    guarded,
    layer_of,
    no_zeros,
    shaped_as,
)
from utils.stats import auc
from utils.steering import steer

# ---- Texts and activity -------------------------------------------------------------------------


class Corpus(NamedTuple):
    """Texts end to end.

    Attributes:
        tokens: [token], ids, without BOS.
        text: [token], the number of the text that each token is in.
    """

    tokens: Int[Tensor, " token"]
    text: Int[Tensor, " token"]

    @guarded(before=count(low=0), after=count(low=0))
    def around(self, position: int, *, before: int = 10, after: int = 4) -> tuple[list[int], int]:
        """Positions of the tokens around one of them, all of its text, and which of these it is."""
        if not 0 <= position < len(self.tokens):
            raise ValueError(f"There is no token {position}: there are {len(self.tokens)}, from 0.")
        near = range(max(position - before, 0), min(position + after + 1, len(self.tokens)))
        inside = [i for i in near if self.text[i] == self.text[position]]
        return inside, inside.index(position)


def _whole_numbers(rows: Sequence[Tensor], _: Mapping) -> str | None:
    return next((wrong for row in rows if (wrong := whole(row, {}))), None)


@guarded(rows=(filled, _whole_numbers))
def corpus(rows: Sequence[Int[Tensor, " _"]]) -> Corpus:
    """Lay texts end to end, as `utils.features.sae.harvest` lays their vectors."""
    lengths = torch.tensor([len(row) for row in rows])
    return Corpus(torch.cat(list(rows)).long(), torch.arange(len(rows)).repeat_interleave(lengths))


@guarded(rows=filled, n_tokens=count())
def some(
    rows: Sequence[Int[Tensor, " _"]],
    n_tokens: int,
    *,
    generator: torch.Generator | None = None,
) -> list[Int[Tensor, " _"]]:
    """Texts drawn at random, until they have `n_tokens` together (or there are no more).

    Args:
        generator: of the draw; without one, it is the same in each call.
    """
    chosen, total = [], 0
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.randperm(len(rows), generator=generator).tolist()
    while order and total < n_tokens:
        chosen.append(rows[order.pop()])
        total += len(chosen[-1])
    return chosen


class Activity(NamedTuple):
    """Activations of all latents at every token, only those above 0 kept.

    Attributes:
        index: [token, k], which latents, k for each token; those with value 0 do not count.
        value: [token, k], how active they are.
        d_sae: how many latents there are.
    """

    index: Int[Tensor, "token k"]
    value: Float[Tensor, "token k"]
    d_sae: int

    def of(self, latents: Sequence[int] | Int[Tensor, " m"]) -> Float[Tensor, "token m"]:
        """The activations of some latents at every token, zeros and all.

        Raises:
            ValueError: there is no such latent.
        """
        latents = torch.as_tensor(latents)
        if len(latents) and (whole(latents, {}) or int(latents.max()) >= self.d_sae):
            raise ValueError(f"Latents are whole numbers from 0 to {self.d_sae - 1}: {latents}.")
        latents, column = latents.long(), torch.full((self.d_sae,), -1)
        column[latents] = torch.arange(len(latents))
        found = torch.zeros(len(self.index), len(latents))
        wanted = (column[self.index] >= 0) & (self.value > 0)
        at, slot = wanted.nonzero(as_tuple=True)
        found[at, column[self.index[at, slot]]] = self.value[at, slot]
        place = column[latents]  # another one's, where a latent is asked for twice
        return found if torch.equal(place, torch.arange(len(latents))) else found[:, place]

    @property
    def density(self) -> Float[Tensor, " d_sae"]:
        """The share of the tokens at which each latent is active."""
        counts = torch.bincount(self.index[self.value > 0], minlength=self.d_sae)
        return counts / len(self.index)


@guarded(x=(axes(2), filled), k=count(), batch_size=count())
@torch.no_grad()
def activity(
    encode: Callable[[Float[Tensor, "batch d_in"]], Float[Tensor, "batch d_sae"]],
    x: Float[Tensor, "token d_in"],
    *,
    k: int,
    batch_size: int = 2048,
) -> Activity:
    """Encode vectors, and keep the k largest activations of each.

    Args:
        encode: gives the activations of a batch, none below 0, such as an SAE's `encode`.

    Raises:
        ValueError: some are below 0 or not finite, or there are fewer than k.
    """
    values, indices, d_sae = [], [], 0
    for part in x.split(batch_size):
        acts = encode(part)
        d_sae = acts.shape[-1]
        if k > d_sae or not bool(((acts >= 0) & acts.isfinite()).all()):
            raise ValueError(
                f"`encode` has to give {k} activations or more for each vector, none below 0 and "
                f"all finite: it gave {d_sae}, from {acts.min():g} to {acts.max():g}."
            )
        value, index = acts.topk(k, dim=-1)
        values.append(value.cpu())
        indices.append(index.cpu())
    return Activity(torch.cat(indices), torch.cat(values), d_sae)


class Split(NamedTuple):
    """Texts, where an SAE's latents are active in them, and where the control's are.

    Attributes:
        latents: of the SAE.
        control: of 400 directions, which compete with 4,208 others for the same 32 places a token:
            from the mean of the residual stream to single vectors of it, drawn at random.
    """

    texts: Corpus
    latents: Activity
    control: Activity


def load_split(folder: str | Path, split: str) -> Split:
    """What `data/sae/make.py` keeps of the texts `"reading"` or `"held_out"`.

    Raises:
        FileNotFoundError: the folder has no such file.
        ValueError: there is no split of that name.
    """
    file = Path(folder) / "activity.safetensors"
    if not file.exists():
        raise FileNotFoundError(f"No {file.name} in {folder}: give a folder of `data/sae`.")
    kept = load_file(file)
    if f"{split}.tokens" not in kept:
        raise ValueError(f"There is no split {split!r}: ask for 'reading' or 'held_out'.")
    texts = Corpus(kept[f"{split}.tokens"].long(), kept[f"{split}.text"].long())
    latents, control = (
        Activity(kept[f"{split}.{who}index"].long(), kept[f"{split}.{who}value"].float(), n)
        for who, n in (("", 4608), ("control_", 400))
    )
    return Split(texts, latents, control)


# ---- What a latent does -------------------------------------------------------------------------


@guarded(
    direction=(axes(1), floating, finite, no_zeros),
    norm_weight=(shaped_as("direction"), finite),
    W_U=(axes(2), as_long_as("direction"), finite),
)
def logit_effect(
    direction: Float[Tensor, " d_model"],
    norm_weight: Float[Tensor, " d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> Float[Tensor, " d_vocab"]:
    """What a direction of length 1 adds to each token's logit, minus the mean over tokens.

    On the direct way alone: blocks between the layer and the end are left out, and so is the final
    norm's division. So only compare tokens with each other.

    Args:
        direction: of any length; it is made length 1 first.
        norm_weight: the final norm's weight.
    """
    effect = (direction / direction.norm() * norm_weight) @ W_U
    return effect - effect.mean()


# ---- A player for the blind game ----------------------------------------------------------------


@runtime_checkable
class Marked(Protocol):
    """A text with a marked token, such as `utils.features.explorer.Snippet`."""

    tokens: list[str]
    at: int


RULES = {
    "the marked token": lambda snippet: [snippet.tokens[snippet.at]],
    "the token before": lambda snippet: snippet.tokens[: snippet.at][-1:],
    "the ten tokens before": lambda snippet: snippet.tokens[: snippet.at][-10:],
}


@guarded(active=filled, others=filled)
def describe(
    active: Sequence[Marked],
    others: Sequence[Marked],
    sees: Callable[[Marked], Sequence[str]],
) -> dict[str, float]:
    """Word -> how much it speaks for the latent, for each word that is seen in `active`.

    That is log(share of `active` in which the word is seen / share of `others` in which it is). In
    both shares, 0.5 is added to the number of snippets with the word, and 1 to the number of all.

    Args:
        active: snippets; the latent is active at their marked tokens.
        others: snippets marked at random.
        sees: gives the words that a rule sees of a snippet; one that comes twice counts once.
    """
    on, off = (
        Counter(word for snippet in part for word in set(sees(snippet)))
        for part in (active, others)
    )
    weights = {}
    for word in on:
        share = (on[word] + 0.5) / (len(active) + 1)
        weights[word] = math.log(share * (len(others) + 1) / (off[word] + 0.5))
    return weights


def evidence(
    weights: Mapping[str, float],
    sees: Callable[[Marked], Sequence[str]],
    snippets: Sequence[Marked],
) -> Float[Tensor, " snippet"]:
    """For each snippet, the sum of the weights of the different words that a rule sees of it.

    Args:
        weights: from `describe`; a word without a weight adds nothing.
        sees: gives the words that the rule sees of a snippet.
    """
    return torch.tensor([sum(weights.get(word, 0.0) for word in set(sees(s))) for s in snippets])


def _two_or_more(snippets: Sequence, _: Mapping) -> str | None:
    return None if len(snippets) > 1 else "has fewer than two: one to fit on, one to choose by"


@guarded(active=_two_or_more, others=_two_or_more, rules=filled)
def sort_snippets(
    active: Sequence[Marked],
    others: Sequence[Marked],
    snippets: Sequence[Marked],
    rules: Mapping[str, Callable[[Marked], Sequence[str]]],
) -> tuple[str, Float[Tensor, " snippet"]]:
    """Choose the best rule on snippets that it was not fitted on; then judge new ones with it.

    Words get their weights by `describe`, and snippets their evidence by `evidence`.

    Args:
        active: the latent is active at their marked tokens. Fit on the first, third, fifth, ... of
            these and of `others`, choose by the AUC on the rest, then fit the best rule on all.
        others: snippets marked at random.
        snippets: the new ones.
        rules: name -> what the rule sees of a snippet.

    Returns:
        The chosen rule's name (of equals, the first), and the evidence for each of `snippets`.
    """

    def left_out(sees):
        weights = describe(active[::2], others[::2], sees)
        parts = [evidence(weights, sees, part[1::2]) for part in (active, others)]
        labels = torch.tensor([1] * len(parts[0]) + [0] * len(parts[1]))
        return auc(torch.cat(parts), labels)

    best = max(rules, key=lambda name: left_out(rules[name]))
    return best, evidence(describe(active, others, rules[best]), rules[best], snippets)


# ---- Ablating and steering ----------------------------------------------------------------------


def _a_latent(latent: int, given: Mapping) -> str | None:
    n = given["sae"].d_sae
    return None if 0 <= latent < n else f"is {latent}: choose from 0 to {n - 1}"


@guarded(model=evaluating, tokens=(axes(2), filled), latent=_a_latent, layer=layer_of(end=False))
def ablate_latent(
    model, sae: torch.nn.Module, tokens: Int[Tensor, "batch pos"], latent: int, *, layer: int
) -> Float[Tensor, "batch pos d_vocab"]:
    """How much each next token's log probability changes when one latent is ablated.

    Only what this latent adds to the reconstruction is taken out of the residual stream before
    block `layer`. All else stays, and so does what the SAE does not explain. BOS keeps its vector.

    Args:
        tokens: with BOS in front.
    """

    def subtract(resid, hook):
        acts = sae.encode(resid[:, 1:])[..., latent]
        resid = resid.clone()
        resid[:, 1:] -= acts[..., None] * sae.W_dec[latent]
        return resid

    hooks = [(f"blocks.{layer}.hook_resid_pre", subtract)]
    with torch.no_grad():
        before = model(tokens).log_softmax(-1)
        return model.run_with_hooks(tokens, fwd_hooks=hooks).log_softmax(-1) - before


class Steered(NamedTuple):
    """Texts written under steering, and what the unsteered model makes of their new tokens.

    Attributes:
        tokens: [batch, pos], prompts and what was written.
        effect: [batch], the latent's mean activation at the new tokens.
        loss: [batch], the mean loss of the new tokens, in nats.
    """

    tokens: Int[Tensor, "batch pos"]
    effect: Float[Tensor, " batch"]
    loss: Float[Tensor, " batch"]


@guarded(model=evaluating, prompts=(axes(2), filled), latent=_a_latent, layer=layer_of(end=False))
def steer_and_read(
    model,
    sae: torch.nn.Module,
    prompts: Int[Tensor, "batch pos"],
    latent: int,
    *,
    change: Float[Tensor, " d_model"],
    layer: int,
    write: Callable[..., Int[Tensor, "batch longer"]],
) -> Steered:
    """Steer while the model writes; then let the unsteered model read what was written.

    Args:
        change: added to the residual stream before block `layer`, at every position, while
            `write` runs and not after.
        write: `write(model, prompts)` gives the prompts with new tokens at their ends.

    Returns:
        `Steered(tokens, effect, loss)`: the texts, [batch, pos]; and over the new tokens of each,
        the latent's mean activation, [batch], and the mean loss in nats, [batch].
    """
    with steer(model, change, layer=layer):
        tokens = write(model, prompts)
    n, name = prompts.shape[1], f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens, names_filter=[name])
    effect = sae.encode(cache[name][:, n:])[..., latent].mean(1)
    log_probs = logits[:, n - 1 : -1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, n:, None])[..., 0].mean(1)
    return Steered(tokens, effect, loss)
