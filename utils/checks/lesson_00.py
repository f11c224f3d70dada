"""Checks of lesson 00, meet the model."""

import torch

from utils.checks.engine import Wrong, exercise, expect, match


class _Tokenizer:
    """Stands in for a model: a planted vocabulary behind TransformerLens's tokenizing methods."""

    # With its space, "lamp" is one token and "heron" three; bare, "lamp" is two and "heron" one.
    VOCABULARY = {" lamp": [7], "lamp": [3, 4], " heron": [5, 6, 8], "heron": [9], " x": [11]}
    BOS = 1

    def to_tokens(self, text: str, prepend_bos: bool = True, **_) -> torch.Tensor:
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
    lamp, heron = answer_token(model, "lamp"), answer_token(model, "heron")
    if lamp is None and heron == 9:
        raise Wrong("You looked the word up without its leading space: ' lamp' and 'lamp' differ.")
    expect(
        bool(lamp != model.BOS),
        "You returned the id of BOS. Ask for `prepend_bos=False`: BOS is not part of the word.",
    )
    if lamp is None and heron is None:
        raise Wrong(
            "Nothing is a single token for you. Does every path `return`? Is BOS counted? Ask "
            "for `prepend_bos=False`."
        )
    expect(
        heron is None,
        f"' heron' is three tokens here, and you returned {heron}: return None unless the word is "
        "exactly one. (`to_tokens` gives [1, n_tokens]: the tokens are on the second axis.)",
    )
    expect(
        not isinstance(lamp, torch.Tensor),
        "Return a plain int, such as `int(tokens[0])`, and not a tensor.",
    )
    expect(int(lamp) == 7, f"' lamp' has id 7 in the planted vocabulary, and you returned {lamp}.")
    expect(answer_token(model, "x") == 11, "A one-letter word is a word too: ' x' should give 11.")
    return "One token with its space, or None."


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
    n_layers, shape = 3, (2, 4, 5)
    random = torch.Generator().manual_seed(0)
    cache = _Cache({"hook_embed": torch.randn(shape, generator=random)})
    for layer in range(n_layers + 1):  # one layer more than asked for, to catch a bound one too far
        for name in ("hook_attn_out", "hook_mlp_out", "hook_resid_pre", "hook_resid_mid"):
            cache[f"blocks.{layer}.{name}"] = torch.randn(shape, generator=random)
        cache[f"blocks.{layer}.hook_resid_post"] = torch.randn(shape, generator=random)

    def stack(names):
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
        what="The stack of parts",
        mistakes={
            "The embedding is missing: the stream starts with `hook_embed`.": stack(layers(*both)),
            "The MLPs are missing: each layer writes twice.": stack(embed + layers(both[0])),
            "The attention is missing: each layer writes twice.": stack(embed + layers(both[1])),
            "The last layer is missing: `range(n_layers)` already stops before n_layers.": stack(
                embed + layers(*both, upto=n_layers - 1)
            ),
            "One layer too many: `range(n_layers)` already stops before n_layers.": stack(
                embed + layers(*both, upto=n_layers + 1)
            ),
            "`hook_resid_post` is the running sum itself, not a part of it.": stack(
                embed + layers("hook_resid_post")
            ),
            "Order: attention comes before the MLP within a layer.": stack(
                embed + layers(*both[::-1])
            ),
            "Order: layer by layer, attention then MLP; not all attention first.": stack(
                embed + layers(both[0]) + layers(both[1])
            ),
            "That is the sum. Return the parts, stacked; the sum comes later.": right.sum(0),
        },
    )
    return "Every part once, in the order in which it was written."


@exercise("utils.circuits.residual.cache_bytes")
def check_cache_bytes(cache_bytes) -> str:
    """Planted tensors: two dtypes, an alias and a slice."""
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
            "Megabytes were not asked for: return bytes.": torch.tensor((420 + 44) / 1e6),
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
    return "Bytes of real memory, shared storage once."


@exercise("utils.circuits.residual.logit_lens")
def check_logit_lens(logit_lens) -> str:
    """A planted norm that is not the identity, with d_model and d_vocab apart."""
    random = torch.Generator().manual_seed(0)
    resid = torch.randn(2, 3, 5, generator=random)
    W_U = torch.randn(5, 7, generator=random)

    def ln_final(x):
        return 3 * x / x.pow(2).mean(-1, keepdim=True).sqrt()

    right = ln_final(resid) @ W_U
    match(
        logit_lens(resid, ln_final, W_U),
        right,
        what="The lens",
        mistakes={
            "The final norm is missing: put the stream through `ln_final` first.": resid @ W_U,
            "Those are probabilities. Logits were asked for: no softmax.": right.softmax(-1),
            "Those are log-probabilities. Logits were asked for.": right.log_softmax(-1),
            "The norm comes before the unembedding, not after it.": ln_final(resid @ W_U),
            "You unembedded only the last position: keep all leading axes.": right[:, -1],
            "You normalised twice.": ln_final(ln_final(resid) / 2 + resid) @ W_U,
            "That is the normalised stream: the unembedding is missing.": ln_final(resid),
        },
    )
    return "Normalise, then unembed."


@exercise("utils.circuits.residual.token_probabilities")
def check_token_probabilities(token_probabilities) -> str:
    """Analytic answers: softmax of ln 1, ln 4, ... is a matter of counting."""
    logits = torch.tensor([[1.0, 4.0, 9.0], [16.0, 1.0, 4.0]]).log()
    warm = torch.tensor([[1.0, 2.0, 3.0], [4.0, 1.0, 2.0]])  # temperature 2 takes square roots
    right = warm / warm.sum(-1, keepdim=True)
    plain = logits.softmax(-1)
    match(
        token_probabilities(logits.clone(), 2.0),
        right,
        what="The probabilities",
        mistakes={
            "You multiplied by the temperature: a high temperature should flatten.": (
                (logits * 2).softmax(-1)
            ),
            "The temperature is not used.": plain,
            "The softmax runs over the wrong axis: the vocabulary is the last.": (
                (logits / 2).softmax(0)
            ),
            "The temperature divides the logits, before the softmax; you divided the "
            "probabilities.": plain / 2,
            "Those are the scaled logits: the softmax is missing.": logits / 2,
            "Those are log-probabilities.": right.log(),
        },
    )
    cold = token_probabilities(logits.clone(), 0.0)
    expect(cold is not None, "Temperature 0 gives None: does that path `return`?")
    cold = torch.as_tensor(cold)
    expect(
        bool(cold.isfinite().all()),
        "At temperature 0 you divide by zero, which gives NaN. Treat 0 first: all the mass on the "
        "largest logit.",
    )
    match(
        cold,
        torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
        what="The probabilities at temperature 0",
        mistakes={
            "At temperature 0 you return the position of the largest logit. Turn it into a row "
            "of zeros with a single one.": logits.argmax(-1),
            "At temperature 0 all the mass goes to the largest logit; you ignored the "
            "temperature.": plain,
            "At temperature 0 the largest is taken over the whole batch: take it in each row.": (
                torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
            ),
        },
    )
    return "Low sharpens, high flattens, zero is greedy."
