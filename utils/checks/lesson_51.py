"""Checks of lesson 5.1, how a reasoning model checks itself."""

from types import SimpleNamespace

import torch

from utils.checks.engine import exercise, expect, match


@exercise("utils.cases.verification.bracket_places")
def check_bracket_places(bracket_places) -> str:
    """Brackets after words; results that are one of the numbers, or a part of the target."""
    text = (
        "<bos> now make 15 from 12 4 7 8 : 12 - 7 = 5 ( this works ) , 12 - 4 = 8 ( no 8 ) , "
        "8 + 7 = 15 ( no 15 ) , check ( 12 + 4 = 16 ( not 16 ) , 12 - = ( no 12 ) , 7 + 8 = 15 ("
    )
    words = text.split()
    every = [i for i, word in enumerate(words) if word == "("]
    real = [i for i in every if words[i - 1].isdigit()]
    hits = [words[i - 1] == "15" for i in real]
    said = [words[i + 1] == "this" for i in real[:-1]] + [False]

    def pairs(positions: list[int], labels: list[bool]) -> list[tuple[int, int]]:
        return list(zip(positions, map(int, labels), strict=True))

    got = bracket_places(list(words))
    expect(got is not None, "The positions came back as None: `return` a list of pairs.")
    expect(
        isinstance(got, list | tuple)
        and all(isinstance(p, tuple | list) and len(p) == 2 for p in got),
        "Return a list of pairs: (position of the bracket, whether the result is the target).",
    )
    expect(len(got) > 0, "No bracket was found: compare words, such as `word == '('`.")
    only_hits = [i for i, hit in zip(real, hits, strict=True) if hit]
    expect(
        [int(a) for a, _ in got] != only_hits,
        "Only the hits came back. The misses count as well, with the label False.",
    )
    found = [[int(a), int(b)] for a, b in got]
    expect(
        any(b for _, b in found) or [a for a, _ in found] != real,
        "No bracket is labelled a hit. Words are strings, and a number never equals a string: "
        "compare strings with strings. And the target is the number after `make`, not always the "
        "second word: a text may begin with fillers.",
    )
    header = words[: words.index(":")]
    no_word = [i for i in every if words[i - 1] != "check"]
    match(
        found,
        pairs(real, hits),
        what="The positions",
        mistakes={
            "You counted positions from the end of the header: count from the first word.": pairs(
                [i - words.index(":") - 1 for i in real], hits
            ),
            "Those are the positions of the results: the verdict is about to be said one word "
            "later, at the `(`.": pairs([i - 1 for i in real], hits),
            "Those are the positions of the verdicts. There the model has spoken already: stop at "
            "the `(`.": pairs([i + 1 for i in real], hits),
            "You labelled by what the model *said*. The label is what is true: compare the result "
            "with the target.": pairs(real, said),
            "One of your positions is a bracket after a word. Take a `(` only if a number stands "
            "right before it.": pairs(every, [words[i - 1] == "15" for i in every]),
            "One of your positions is a bracket after `=`. Take a `(` only if a number stands "
            "right before it.": pairs(no_word, [words[i - 1] == "15" for i in no_word]),
            "The last bracket is missing: the text may end there, before the verdict.": pairs(
                real[:-1], hits[:-1]
            ),
            "You stopped at the first hit: the model may go on, and later brackets count.": pairs(
                real[:3], hits[:3]
            ),
            "You took 5 for a part of 15, or the other way round: compare whole words.": pairs(
                real, [words[i - 1] in "15" for i in real]
            ),
            "A result that is one of the puzzle's numbers is no hit: compare with the target "
            "alone.": pairs(real, [words[i - 1] in header for i in real]),
            "The labels are turned round: true is a hit.": pairs(real, [not hit for hit in hits]),
        },
    )
    short = "<bos> make 5 from 9 6 4 : 9 + 6 = 15 ( not 15 ) , 9 - 4 = 5 ( yes"
    match(
        [[int(a), int(b)] for a, b in bracket_places(short.split())],
        [[13, 0], [23, 1]],
        what="The positions in a text with the target 5",
        mistakes={
            "You took 5 for a part of 15: compare whole words.": torch.tensor([[13, 1], [23, 1]]),
            "The target of this text is 5: it is the number after `make`.": torch.tensor(
                [[13, 1], [23, 0]]
            ),
            "The target is the number after `make`, wherever that stands.": torch.tensor(
                [[13, 0], [23, 0]]
            ),
        },
    )
    return "The positions where a verdict is due, with what is true there."


@exercise("utils.cases.verification.verdict_push")
def check_verdict_push(verdict_push) -> str:
    """Three dimensions, seven tokens; a direction and the opposite one, with other words."""
    draw = torch.Generator().manual_seed(0)
    direction, weight = torch.tensor([3.0, 0.0, -4.0]), torch.tensor([2.0, 1.0, -0.5])
    W_U, yes, no = torch.randn(3, 7, generator=draw), [1, 4], [0, 2, 6]
    logits = (direction * weight) @ W_U
    direction = direction * (logits[yes].mean() - logits[no].mean()).sign()  # it says yes
    _check_push(verdict_push, direction, weight, W_U, yes=yes, no=no)
    _check_push(verdict_push, -direction, weight, W_U, yes=yes, no=no)
    _check_push(verdict_push, direction, weight, W_U, yes=[5, 3, 0], no=[6])
    return "One number: does this direction say yes?"


def _check_push(verdict_push, direction, weight, W_U, *, yes: list[int], no: list[int]) -> None:
    def push(vector: torch.Tensor, over=lambda logits: logits) -> torch.Tensor:
        logits = over(vector @ W_U)
        return logits[yes].mean() - logits[no].mean()

    unit = direction / 5
    lost = "The sign is turned round: yes minus no."
    if push(unit * weight) < 0:  # where one that says yes was right
        lost = "The sign is lost: a direction may say no, and its push is then below 0."
    logits = (unit * weight) @ W_U
    match(
        verdict_push(direction, weight, W_U, yes=yes, no=no),
        push(unit * weight),
        what="The push",
        mistakes={
            "The final norm's weight is missing: it stands between the stream and the "
            "unembedding.": push(unit),
            "The direction's own length is still in: make it length 1 first, or a random direction "
            "cannot be compared.": push(direction * weight),
            "Both are missing: first length 1, then times the final norm's weight.": push(
                direction
            ),
            "You took logsumexp, which favours the side with more words: take means.": (
                logits[yes].logsumexp(0) - logits[no].logsumexp(0)
            ),
            "You made the length 1 after the norm's weight: scale first, then multiply.": push(
                direction * weight / (direction * weight).norm()
            ),
            "You took sums. There may be more words for no than for yes: take means.": (
                logits[yes].sum() - logits[no].sum()
            ),
            "You compared the likeliest word of each side: take means over its words.": (
                logits[yes].max() - logits[no].max()
            ),
            "Only yes is counted: take the mean for no away.": logits[yes].mean(),
            "Those are probabilities: leave the softmax out.": push(
                unit * weight, lambda each: each.softmax(-1)
            ),
            lost: -push(unit * weight),
            "The signs of the direction's entries are lost: `norm()` makes it length 1.": push(
                unit.abs() * weight
            ),
            "You cut off what is below 0: a direction may say no.": torch.zeros(()),
            "You divided by the sum of the entries: a direction's length is its `norm()`.": push(
                direction / direction.abs().sum() * weight
            ),
            "You divided by the norm's weight: the model multiplies by it.": push(unit / weight),
        },
    )


@exercise("utils.cases.verification.alignment", keeps_gradient=False)
def check_alignment(alignment) -> str:
    """Two layers of five neurons in three dimensions, weights of a model that can be trained."""
    draw = torch.Generator().manual_seed(0)
    W_out, W_in, W_gate = (
        torch.randn(2, 5, 3, generator=draw),
        *torch.randn(2, 2, 3, 5, generator=draw),
    )
    direction = torch.tensor([2.0, -3.0, 6.0])
    weights = {"W_out": W_out, "W_in": W_in, "W_gate": W_gate}
    model = SimpleNamespace(
        **{name: weight.clone().requires_grad_() for name, weight in weights.items()}
    )
    dots, lengths = W_out @ direction, W_out.norm(dim=-1)
    match(
        alignment(model, direction),
        dots / lengths / 7,
        what="The cosines",
        mistakes={
            "Those are dot products: a long value vector would win by its length alone.": dots,
            "The neurons' lengths are still in: divide by them too.": dots / 7,
            "The direction's length is still in.": dots / lengths,
            "You divided by the number of dimensions: divide by the direction's length.": (
                dots / lengths / 3
            ),
            "You divided by the length over all neurons, or over all layers: each value vector has "
            "a length of its own.": dots / W_out.norm(dim=1, keepdim=True).norm(dim=-1) / 7,
            "You divided by the squares of the lengths: divide by the lengths.": (
                dots / lengths.square() / 49
            ),
            "You took `W_in`: that is what a neuron reads. What it writes is in `W_out`.": (
                torch.einsum("ldn,d->ln", W_in, direction) / W_in.norm(dim=1) / 7
            ),
            "You took `W_gate`: that is what opens the gate. What a neuron writes is in `W_out`.": (
                torch.einsum("ldn,d->ln", W_gate, direction) / W_gate.norm(dim=1) / 7
            ),
            "The signs are lost: a neuron that writes against the direction is another kind of "
            "neuron.": (dots / lengths / 7).abs(),
            "What writes against the direction was cut off: a cosine goes from -1 to 1.": (
                dots / lengths / 7
            ).clamp(min=0),
            "You made each layer's best neuron 1: divide by the lengths alone.": (
                dots / lengths / (dots / lengths).amax(-1, keepdim=True)
            ),
            "Neurons and layers are exchanged: [layer, neuron].": (dots / lengths / 7).T,
        },
    )
    return "1 writes right along the direction, -1 right against it."


@exercise("utils.cases.verification.attention_between")
def check_attention_between(attention_between) -> str:
    """Three texts, two heads, five positions; four pairs, two of them in one text."""
    draw = torch.Generator().manual_seed(0)
    pattern = torch.rand(3, 2, 5, 5, generator=draw).tril()
    pattern = pattern / pattern.sum(-1, keepdim=True)
    text = torch.tensor([0, 2, 2, 1])
    query, key = torch.tensor([3, 4, 2, 4]), torch.tensor([1, 2, 0, 3])
    right = pattern[text, :, query, key].T
    match(
        attention_between(pattern, text, query, key),
        right,
        what="The attention",
        mistakes={
            "Pairs and heads are exchanged: [head, pair].": right.T,
            "Query and key are exchanged: a row of the pattern is where attention comes from.": (
                pattern[text, :, key, query].T
            ),
            "You took the pair's number for the text's: two pairs may be in one text.": (
                torch.stack([pattern[min(i, 2), :, query[i], key[i]] for i in range(4)], dim=1)
            ),
            "The mean over pairs is taken already: give one number for each.": right.mean(1),
            "The query is one position too early.": pattern[text, :, query - 1, key].T,
            "You took all pairs from the first text: `text` says which one each is in.": (
                pattern[0][:, query, key]
            ),
            "You took the mean over texts: `text` says which one each pair is in.": (
                pattern.mean(0)[:, query, key]
            ),
            "That is the whole row: take one key of it for each pair.": (
                pattern[text, :, query].permute(1, 0, 2)
            ),
            "You got every pair of query and key. Put the tensors into one index, so that they "
            "go in pairs.": pattern[text][:, :, query][..., key].permute(1, 0, 2, 3),
        },
    )
    match(
        attention_between(pattern, text[:1], query[:1], key[:1]),
        right[:, :1],
        what="The attention of a single pair",
        mistakes={"The axis of pairs is lost where there is one pair.": right[:, 0]},
    )
    return "One number for each head and pair."


def _circuit() -> tuple[torch.Tensor, torch.Tensor]:
    """A circuit of four dimensions that is not symmetric, and three fields of length 1."""
    draw = torch.Generator().manual_seed(0)
    ov, fields = torch.randn(4, 4, generator=draw), torch.randn(4, 3, generator=draw)
    return ov, fields / fields.norm(dim=0)


@exercise("utils.cases.verification.drive")
def check_drive(drive) -> str:
    """Four dimensions, three neurons."""
    ov, fields = _circuit()
    size, count = ov.norm(), 3**0.5
    match(
        drive(ov, fields),
        (ov @ fields).norm() / size / count,
        what="The drive",
        mistakes={
            "The matrix stands the wrong way round: vectors are rows here, so that `x @ ov` is "
            "what the head writes, and `x @ ov @ field` its product with the field.": (
                (ov.T @ fields).norm() / size / count
            ),
            "The circuit's own size is still in: a head with large weights would win by that "
            "alone.": (ov @ fields).norm() / count,
            "The number of neurons is still in: take the root of the *mean* square.": (
                (ov @ fields).norm() / size
            ),
            "Divide the sum of squares by the number of neurons, so the length by its root.": (
                (ov @ fields).norm() / size / 3
            ),
            "That is the mean length: the root mean square was asked for.": (
                (ov @ fields).norm(dim=0).mean() / size
            ),
            "You took lengths along the wrong axis: a field is a column, so sum over `dim=0`.": (
                (ov @ fields).norm(dim=1).square().mean().sqrt() / size
            ),
            "That is the longest: take the root mean square over neurons.": (
                (ov @ fields).norm(dim=0).max() / size
            ),
            "The size of `ov` is its Frobenius norm, `ov.norm()`, not the sum of its entries' "
            "sizes.": (ov @ fields).norm() / count / ov.abs().sum(),
            "You took the mean over all entries: first the length of `ov @ field`, then the mean "
            "over neurons.": (ov @ fields).square().mean().sqrt() / size,
            "You divided by the largest stretch of the circuit: take the Frobenius norm, "
            "`ov.norm()`.": (ov @ fields).norm() / torch.linalg.matrix_norm(ov, 2) / count,
            "That is the drive along the fields' mean: neurons would cancel.": (
                (ov @ fields.mean(1)).norm() / size
            ),
            "That is only the diagonal: what the circuit makes of a field, along the same field. "
            "Here the head may read anything.": (
                (fields * (ov @ fields)).sum(0).norm() / size / count
            ),
            "That is the mean square: take its root.": (((ov @ fields).norm() / size / count) ** 2),
            "That is one number for each neuron: take the root mean square over them.": (
                (ov @ fields).norm(dim=0) / size
            ),
        },
    )
    match(
        drive(2 * ov, fields[:, :1]),
        (ov @ fields[:, 0]).norm() / size,
        what="The drive of one neuron, by a circuit of twice the size,",
        mistakes={},
    )
    return "How much of what the head can write lands on these gates."


@exercise("utils.cases.verification.diagonal_drive")
def check_diagonal_drive(diagonal_drive) -> str:
    """The same circuit; the diagonal has both signs."""
    ov, fields = _circuit()
    size, count = ov.norm(), 3**0.5
    table = fields.T @ ov @ fields
    match(
        diagonal_drive(ov, fields),
        table.diagonal().norm() / size / count,
        what="The diagonal drive",
        mistakes={
            "That is the full drive: here the head reads the field itself.": (
                (ov @ fields).norm() / size / count
            ),
            "All pairs of fields are in. Take those that read and write the *same* field.": (
                table.norm() / size / count
            ),
            "That is the diagonal of the circuit in the model's own coordinates: first take it to "
            "the fields.": ov.diagonal().norm() / size / count,
            "Signs cancel in a plain mean: take the root mean square.": (
                table.diagonal().mean() / size
            ),
            "You summed first: that is the size of the sum over neurons, in which signs cancel.": (
                table.diagonal().sum().abs() / size / count
            ),
            "That is the largest: take the root mean square over neurons.": (
                table.diagonal().abs().max() / size
            ),
            "The root is missing: that is the mean square.": (
                table.diagonal().square().mean() / size
            ),
            "That is the mean of the sizes: the root mean square was asked for.": (
                table.diagonal().abs().mean() / size
            ),
            "The circuit's own size is still in.": table.diagonal().norm() / count,
            "The number of neurons is still in: take the root of the *mean* square.": (
                table.diagonal().norm() / size
            ),
            "That is one number for each neuron: take the root mean square over them.": (
                table.diagonal() / size
            ),
        },
    )
    match(
        diagonal_drive(2 * ov, fields[:, :1]),
        table[0, 0].abs() / size,
        what="The diagonal drive of one neuron, by a circuit of twice the size,",
        mistakes={
            "The sign is still in: a root mean square is never below 0.": table[0, 0] / size,
        },
    )
    return "What the head makes of a field, along that field."


@exercise("utils.cases.verification.put_head")
def check_put_head(put_head) -> str:
    """Four texts of four positions, five heads of two dimensions."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(4, 4, 5, 2, generator=draw)
    text, pos, head = torch.tensor([0, 2, 2]), torch.tensor([3, 1, 2]), 2
    states = torch.randn(3, 2, generator=draw) + 5

    def put(t, p, h, new, *, add=False) -> torch.Tensor:
        out = z.clone()
        out[t, p, h] = out[t, p, h] + new if add else new
        return out

    got = put_head(z, head, text, pos, states)
    every = put(text, pos, slice(None), states[:, None].expand(3, 5, 2))
    all_positions, all_texts = z.clone(), z.clone()
    all_positions[text, :, head] = states[:, None]
    all_texts[:, pos, head] = states
    crossed = z.clone()
    for t in text:
        for p, state in zip(pos, states, strict=True):
            crossed[t, p, head] = state
    match(
        got,
        put(text, pos, head, states),
        what="The heads' outputs",
        mistakes={
            "All heads got the new states: index one of them.": every,
            "Every position of these texts changed: index with `text` and `pos` "
            "together.": all_positions,
            "These positions changed in *all* texts: index with `text` and `pos` "
            "together.": all_texts,
            "Each text got every position: go through `text` and `pos` in pairs.": crossed,
            "The last head changed: it is `head` that has the new states.": put(
                text, pos, -1, states
            ),
            "You added the new states to the old: put them in their place.": put(
                text, pos, head, states, add=True
            ),
            "Heads are counted from 0, like everything else: yours is one too low.": put(
                text, pos, head - 1, states
            ),
            "The first state went to all positions: each position has a state of its own.": put(
                text, pos, head, states[0].expand(3, 2)
            ),
            "You put in the mean of the states: each position has a state of its own.": put(
                text, pos, head, states.mean(0).expand(3, 2)
            ),
            "The states went one position too early.": put(text, pos - 1, head, states),
            "Texts and positions are exchanged: `z` is [text, pos, head, d_head].": put(
                pos, text, head, states
            ),
            "That is what stands at the positions: return all of `z`.": states,
            "It came back unchanged: indexing twice, as in `z[text][:, pos]`, makes a copy, and a "
            "change of it is lost.": z,
        },
    )
    match(
        put_head(z, 0, text[1:2], pos[1:2], states[:1]),
        put(text[1:2], pos[1:2], 0, states[:1]),
        what="The heads' outputs with head 0 changed at a single position",
        mistakes={},
    )
    return "One head, at these positions, holds what it held elsewhere."
