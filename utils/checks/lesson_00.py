"""Checks of lesson 00, meet the model."""

from numbers import Integral

import torch

from utils.checks.engine import Wrong, exercise, expect, match
from utils.checks.inputs import described


class _Tokenizer:
    """Stands in for a model: a planted vocabulary behind TransformerLens's tokenizing methods."""

    # With its space, "lamp" is one token and "heron" three; bare, "lamp" is two and "heron" one.
    VOCABULARY = {
        " lamp": [7],
        "lamp": [3, 4],
        " heron": [5, 6, 8],
        "heron": [9],
        " otter": [5, 8],
        "otter": [14],
        " x": [11],
        "x": [15],
        " Oslo": [13],
        "Oslo": [16],
    }
    BOS = 1

    def to_tokens(self, text: str | list[str], prepend_bos: bool = True, **_) -> torch.Tensor:
        (text,) = [text] if isinstance(text, str) else text
        if text not in self.VOCABULARY:
            raise Wrong(
                f"You asked for the tokens of {text!r}. Put exactly one space before the word, and "
                "change nothing else."
            )
        return torch.tensor([[self.BOS] * prepend_bos + self.VOCABULARY[text]])

    def to_single_token(self, text: str) -> int:
        tokens = self.to_tokens(text, prepend_bos=False)[0]
        if len(tokens) != 1:
            raise AssertionError(f"{text!r} is not a single token")
        return int(tokens[0])


@exercise("utils.circuits.residual.answer_token")
def check_answer_token(answer_token) -> str:
    """Planted vocabulary: spaces, several pieces, and BOS each change the answer."""
    model = _Tokenizer()
    words = ("lamp", "heron", "otter", "x", "Oslo")
    lamp, heron, otter, x, oslo = (_id_or_none(answer_token(model, word)) for word in words)
    if lamp is None and heron == 9:
        raise Wrong("You looked the word up without its leading space: ' lamp' and 'lamp' differ.")
    expect(
        lamp != model.BOS,
        "You returned the id of BOS. Ask for `prepend_bos=False`: BOS is not part of the word.",
    )
    if lamp is None and heron is None:
        raise Wrong(
            "Nothing is a single token for you. Does every path `return`? Is BOS counted? Ask "
            "for `prepend_bos=False`."
        )
    for word, got, n in (("heron", heron, "three"), ("otter", otter, "two")):
        expect(
            got is None,
            f"' {word}' is {n} tokens here, and you returned {got}: return None unless the word is "
            "exactly one. (`to_tokens` gives [1, n_tokens]: the tokens are on the second axis.)",
        )
    for word, got, right in (("lamp", lamp, 7), ("x", x, 11), ("Oslo", oslo, 13)):
        expect(
            got == right,
            f"' {word}' has id {right} in the planted vocabulary, and you returned {got}.",
        )
    return "One token with its space, or None."


def _id_or_none(got) -> int | None:
    expect(
        got is None or (isinstance(got, Integral) and not isinstance(got, bool)),
        f"Return a plain int, such as `int(tokens[0])`, or None; not {described(got)}.",
    )
    return got if got is None else int(got)


class _Cache(dict):
    """A cache that also takes TransformerLens's short keys, such as `("attn_out", 3)`."""

    def __missing__(self, key):
        if key == "embed":
            return self["hook_embed"]
        if isinstance(key, tuple) and len(key) == 2:
            name = f"blocks.{key[1]}.hook_{key[0]}"
            if name in self:
                return self[name]
        raise KeyError(key)


@exercise("utils.circuits.residual.residual_parts")
def check_residual_parts(residual_parts) -> str:
    """A planted cache with decoys: every activation has a value of its own."""
    for n_layers, batch in ((3, 2), (2, 1)):
        cache = _planted_cache(n_layers + 1, (batch, 4, 5))  # one more, for a bound one too far

        def stack(names, cache=cache):
            return torch.stack([cache[name] for name in names])

        def layers(*kinds, upto=n_layers):
            return [f"blocks.{layer}.{kind}" for layer in range(upto) for kind in kinds]

        embed, both = ["hook_embed"], ("hook_attn_out", "hook_mlp_out")
        got = residual_parts(cache, n_layers)
        if isinstance(got, (list, tuple)):
            raise Wrong("Return one tensor: put your list through `torch.stack`.")
        right = stack(embed + layers(*both))
        match(
            got,
            right,
            what=f"The stack of parts, {batch} text{'s' * (batch > 1)} and {n_layers} layers,",
            mistakes={
                "The embedding is missing: the stream starts with `hook_embed`.": right[1:],
                "The MLPs are missing: each layer writes twice.": stack(embed + layers(both[0])),
                "The attention is missing: each layer writes twice.": stack(
                    embed + layers(both[1])
                ),
                "The last layer is missing: `range(n_layers)` already stops before n_layers.": (
                    right[:-2]
                ),
                "One layer too many: `range(n_layers)` already stops before n_layers.": stack(
                    embed + layers(*both, upto=n_layers + 1)
                ),
                "`hook_resid_post` is the running sum itself, not a part of it.": stack(
                    embed + layers("hook_resid_post")
                ),
                "`hook_resid_mid` is a running sum, not what the attention adds.": stack(
                    embed + layers("hook_resid_mid", both[1])
                ),
                "Those are running sums. Return the parts themselves.": right.cumsum(0),
                "Order: attention comes before the MLP within a layer.": stack(
                    embed + layers(*both[::-1])
                ),
                "Order: layer by layer, attention then MLP; not all attention first.": stack(
                    embed + layers(both[0]) + layers(both[1])
                ),
                "Order: what is written first comes first.": right.flip(0),
                "That is the sum. Return the parts, stacked; the sum comes later.": right.sum(0),
                "An axis of one is lost: a batch of one text keeps its axis.": right.squeeze(),
                "The parts are joined along the batch: `torch.stack` makes a new first axis.": (
                    right.flatten(0, 1)
                ),
                "The new axis of the parts comes first: stack along axis 0.": right.movedim(0, 1),
                "The new axis of the parts comes first, and not last.": right.movedim(0, -1),
                "Only the last position is there: keep them all.": right[:, :, -1],
            },
        )
    return "Every part once, in the order in which it was written."


def _planted_cache(n_layers: int, shape: tuple[int, ...]) -> _Cache:
    random = torch.Generator().manual_seed(0)
    names = ["hook_embed"] + [
        f"blocks.{layer}.hook_{kind}"
        for layer in range(n_layers)
        for kind in ("attn_out", "mlp_out", "resid_pre", "resid_mid", "resid_post")
    ]
    return _Cache({name: torch.randn(shape, generator=random) for name in names})


@exercise("utils.circuits.residual.cache_bytes")
def check_cache_bytes(cache_bytes) -> str:
    """Planted tensors: two dtypes, aliases, slices, and tensors that are only alike."""
    full = torch.zeros(3, 5, 7)  # 420 bytes
    half = torch.zeros(2, 11, dtype=torch.bfloat16)  # 44 bytes
    cache = {"full": full, "alias": full, "half": half, "slice": full[:, :2]}  # 168 bytes
    elements = 105 + 105 + 22 + 42
    match(
        cache_bytes(cache),
        torch.tensor(420 + 44),
        what="The size",
        mistakes={
            "Names that share memory are counted more than once: 'alias' is 'full' again. Tell "
            "storages apart by their address.": torch.tensor(420 + 420 + 44 + 168),
            "That is a number of elements. Multiply by the bytes of each.": torch.tensor(elements),
            "That is a number of elements, each storage once. It should be bytes.": torch.tensor(
                105 + 22
            ),
            "You took 4 bytes for every element, and shared memory several times. bfloat16 has "
            "2: ask the tensor.": torch.tensor(4 * elements),
            "You took 4 bytes for every element; bfloat16 has 2.": torch.tensor(420 + 88),
            "A slice shares its tensor's storage, and yours is counted on its own.": torch.tensor(
                420 + 44 + 168
            ),
            "A slice stands in for its whole storage: the last tensor to come at an address is the "
            "slice, and you took its size. Take the *storage's* size.": torch.tensor(168 + 44),
            "Storages are told apart, but you add up elements. Add the storages' bytes.": (
                torch.tensor(42 + 22)
            ),
            "A slice is another object over the same storage: tell storages apart by their "
            "address.": torch.tensor(420 + 44 + 420),
            "Megabytes were not asked for: return bytes.": torch.tensor((420 + 44) / 1e6),
            "Kilobytes were not asked for: return bytes.": torch.tensor((420 + 44) / 1e3),
            "Those are bits: a byte has 8 of them.": torch.tensor(8 * (420 + 44)),
        },
    )
    late = {"full": full, "slice": full[1:]}  # a slice that does not start where its tensor starts
    match(
        cache_bytes(late),
        torch.tensor(420),
        what="The size",
        mistakes={
            "A slice that starts later has another `data_ptr()`, but the same storage. Use "
            "`t.untyped_storage().data_ptr()`.": torch.tensor(420 + 280),
            "A slice that starts later has another `data_ptr()` but the same storage, all of which "
            "was counted twice. Use `t.untyped_storage().data_ptr()`.": torch.tensor(840),
        },
    )
    match(
        cache_bytes({"slice": torch.zeros(3, 5, 7)[:, :2]}),
        torch.tensor(420),
        what="The size",
        mistakes={
            "Only a slice is in the cache, and you counted what it shows. The whole storage behind "
            "it stays in memory: take the storage's bytes.": torch.tensor(168)
        },
    )
    match(
        cache_bytes({"one": full, "another": torch.zeros(3, 5, 7)}),
        torch.tensor(840),
        what="The size",
        mistakes={
            "Two tensors of the same shape and values are counted once. What tells storages apart "
            "is their address.": torch.tensor(420)
        },
    )
    match(
        cache_bytes({"tensor": full, "view": full.view(15, 7)}),
        torch.tensor(420),
        what="The size",
        mistakes={
            "A view is another tensor over the same storage: go by the storage's address.": (
                torch.tensor(840)
            )
        },
    )
    match(cache_bytes({}), torch.tensor(0), what="The size of an empty cache", mistakes={})
    return "Bytes of real memory, shared storage once."


@exercise("utils.circuits.residual.logit_lens")
def check_logit_lens(logit_lens) -> str:
    """A planted norm that is not the identity, with d_model and d_vocab apart."""
    random = torch.Generator().manual_seed(0)
    W_U = torch.randn(5, 7, generator=random)

    def ln_final(x):
        return 3 * x / (x.pow(2).mean(-1, keepdim=True) + 0.5).sqrt()

    for axes in ((2, 3), (4,), (1, 3), ()):
        resid = torch.randn(*axes, 5, generator=random)
        right = ln_final(resid) @ W_U
        try:
            got = logit_lens(resid, ln_final, W_U)
        except Wrong as wrong:
            raise Wrong(
                f"With a stream of shape {tuple(resid.shape)}: {wrong} There may be any number of "
                "axes in front of d_model."
            ) from wrong
        match(
            got,
            right,
            what=f"The lens of a stream of shape {tuple(resid.shape)}",
            mistakes={
                "The final norm is missing: put the stream through `ln_final` first.": resid @ W_U,
                "You normalised in your own way: use the `ln_final` that you are given.": (
                    resid / resid.pow(2).mean(-1, keepdim=True).sqrt() @ W_U
                ),
                "Those are probabilities. Logits were asked for: no softmax.": right.softmax(-1),
                "Those are log-probabilities. Logits were asked for.": right.log_softmax(-1),
                "The norm comes before the unembedding, not after it.": ln_final(resid @ W_U),
                "You normalised twice.": ln_final(ln_final(resid) / 2 + resid) @ W_U,
                "That is the normalised stream: the unembedding is missing.": ln_final(resid),
            }
            | (
                {"You unembedded only the last position: keep all leading axes.": right[..., -1, :]}
                if axes
                else {}
            ),
        )
    return "Normalise, then unembed."


@exercise("utils.circuits.residual.token_probabilities")
def check_token_probabilities(token_probabilities) -> str:
    """Analytic answers: softmax of ln 1, ln 4, ... is a matter of counting."""
    weights = torch.tensor([[1.0, 4.0, 9.0], [16.0, 1.0, 4.0]])
    rows = {
        "two rows": weights,
        "one row": weights[:1],
        "two axes in front": weights.repeat(4, 1).view(4, 2, 3),
        "no axis in front": weights[0],
    }
    for name, many in rows.items():
        # The logit of a weight is its logarithm, less 1 so that some are below 0: temperature 2
        # takes roots, and 0.5 takes squares.
        for temperature in (2.0, 0.5, 1.0):
            warm, logits = many ** (1 / temperature), many.log() - 1
            right = warm / warm.sum(-1, keepdim=True)
            match(
                token_probabilities(logits, temperature),
                right,
                what=f"The probabilities at temperature {temperature:g} ({name})",
                mistakes={
                    "You multiplied by the temperature: a high temperature should flatten.": (
                        (logits * temperature).softmax(-1)
                    ),
                    "The temperature is not used.": logits.softmax(-1),
                    "The sign of the logits is lost: those below 0 are the least probable.": (
                        (logits.abs() / temperature).softmax(-1)
                    ),
                    "The softmax runs over the wrong axis: the vocabulary is the last.": (
                        (logits / temperature).softmax(min(1, many.ndim - 2))
                    ),
                    "The softmax runs over the wrong axis: the vocabulary is the *last*.": (
                        (logits / temperature).softmax(0)
                    ),
                    "The softmax runs over everything: each row sums to one.": (warm / warm.sum()),
                    "The temperature divides the logits, before the softmax; you divided the "
                    "probabilities.": logits.softmax(-1) / temperature,
                    "Those are the scaled logits: the softmax is missing.": logits / temperature,
                    "Those are log-probabilities.": right.log(),
                    "You are greedy at a temperature above 0: only 0 itself is.": (
                        (many == many.amax(-1, keepdim=True)).float()
                    ),
                },
            )
        cold = token_probabilities(logits, 0.0)
        expect(cold is not None, "Temperature 0 gives None: does that path `return`?")
        cold = torch.as_tensor(cold)
        expect(
            bool(cold.isfinite().all()),
            "At temperature 0 you divide by zero, which gives NaN. Treat 0 first: all the mass on "
            "the largest logit.",
        )
        peak = (many == many.amax(-1, keepdim=True)).float()
        match(
            cold,
            peak,
            what=f"The probabilities at temperature 0 ({name})",
            mistakes={
                "At temperature 0 you return the position of the largest logit. Turn it into a row "
                "of zeros with a single one.": logits.argmax(-1),
                "At temperature 0 all the mass goes to the largest logit; you ignored the "
                "temperature.": logits.softmax(-1),
                "At temperature 0 the largest is taken over the whole batch: take it in each "
                "row.": (many == many.max()).float(),
                "At temperature 0 you return the largest logit itself. Its *probability* is 1.": (
                    logits.amax(-1)
                ),
            },
        )
        expect(
            cold.is_floating_point(),
            "At temperature 0 you return whole numbers. Probabilities are floats: "
            "`.to(logits.dtype)`.",
        )
    # Twice the largest logit: however the mass is shared, it is 1 in all.
    tie = torch.as_tensor(token_probabilities(torch.tensor([[2.0, 2.0, 1.0]]), 0.0))
    expect(
        tie.shape == (1, 3) and abs(tie.sum().item() - 1) < 1e-4,
        "At temperature 0, two logits that are equally large get a probability of 1 each. "
        "Probabilities sum to one.",
    )
    large = token_probabilities(weights.log() + 100, 1.0)
    expect(
        bool(torch.as_tensor(large).isfinite().all()),
        "With large logits your exponentials overflow, and inf / inf is NaN. `softmax` takes the "
        "largest logit off first.",
    )
    match(
        large,
        weights / weights.sum(-1, keepdim=True),
        what="The probabilities of logits that are 100 higher",
        mistakes={},
    )
    return "Low sharpens, high flattens, zero is greedy."
