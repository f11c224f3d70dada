"""Checks of lesson 2.3, world models."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match
from utils.checks.inputs import described

FAULTY = 13  # the square of the investigation


def faulty_square() -> int:
    """On which square the tampered model's disc is flipped. Printing it would spoil it."""
    return FAULTY


def _random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def _tiny(seed: int, *, n_layers: int = 3) -> TransformerBridge:
    """A small model in which every position and every component matters."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": n_layers,
            "n_heads": 2,
            "d_head": 4,
            "d_model": 8,
            "d_mlp": 12,
            "d_vocab": 7,
            "n_ctx": 12,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=random)
            weight.copy_(0.5 * drawn if weight.ndim == 2 else 1 + 0.3 * drawn)
    return model.eval()


# ---- Reading ------------------------------------------------------------------------------------


def _three_scores(x: Tensor, y: Tensor, penalty: float = 1e-3) -> Tensor:
    """Weights of a ridge regression with a free bias; the last row is the bias."""
    x = torch.cat([x.double(), torch.ones(len(x), 1).double()], 1)
    free = torch.full((x.shape[1],), penalty).double()
    free[-1] = 0
    return torch.linalg.solve(x.T @ x + free.diag(), x.T @ y.double())


def _said(x: Tensor, weights: Tensor) -> Tensor:
    return x.double() @ weights[:-1] + weights[-1]


def _without_bias(x: Tensor, target: Tensor, fit: Tensor) -> Tensor:
    rows = x[fit].double()
    made = rows.T @ rows + 1e-3 * torch.eye(rows.shape[1]).double()
    return x.flatten(0, 1).double() @ torch.linalg.solve(made, rows.T @ target[fit].flatten(1))


def _read_boards(read_boards, seed, n_games, n_time, n_squares) -> None:
    draw = torch.Generator().manual_seed(seed)
    board = torch.randint(-1, 2, (n_games, n_time, n_squares), generator=draw)
    hot = torch.stack([board == state for state in (-1, 0, 1)], -1).float().flatten(2)
    mix = torch.randn(3 * n_squares, 10, generator=draw)
    x = hot @ mix + 0.9 * torch.randn(n_games, n_time, 10, generator=draw) + 2
    fit = (torch.arange(n_games)[:, None] < n_games // 2) & (torch.arange(n_time) > 0)
    x[n_games // 2 :] = -x[n_games // 2 :]  # another world: fitting on it would show
    got = read_boards(x, board, fit)

    def read(
        where: Tensor,
        target: Tensor,
        decide: Callable[[Tensor], Tensor],
        penalty: float = 1e-3,
    ) -> Tensor:
        weights = _three_scores(x[where], target[where].flatten(1), penalty)
        return decide(_said(x.flatten(0, 1), weights)).view(board.shape)

    def best(scores: Tensor) -> Tensor:
        return scores.view(-1, n_squares, 3).argmax(-1) - 1

    one_hot = torch.stack([board == state for state in (-1, 0, 1)], -1).double()
    everywhere = torch.ones_like(fit)
    right = read(fit, one_hot, best)
    mistakes = {
        "The states are 0, 1 and 2: put -1, 0 and 1 in their places.": right + 1,
        "The states are turned round: the first score is that of -1.": -right,
        "You fitted on all positions: only those in `fit` may be used.": read(
            everywhere, one_hot, best
        ),
        "You fitted where `fit` is False.": read(~fit, one_hot, best),
        "One target a square, -1, 0 or 1, rounded: states are names, not amounts. Give each "
        "state a target of its own.": read(
            fit, board.double(), lambda s: s.round().clamp(-1, 1).long()
        ),
        "One target a square, -1, 0 or 1, and its sign: states are names, not amounts. Give "
        "each state a target of its own.": read(fit, board.double(), lambda s: s.sign().long()),
        "The scores of the squares and states are mixed up: are they unpacked in the order in "
        "which the targets were packed?": read(
            fit, one_hot, lambda s: s.view(-1, 3, n_squares).argmax(1) - 1
        ),
        "Those are the true boards, not what a probe reads.": board,
        "The fit has no bias: `ridge` fits one by itself; call what it returns.": (
            _without_bias(x, one_hot, fit).view(-1, n_squares, 3).argmax(-1) - 1
        ).view(board.shape),
        "You fitted on whole games: `fit` picks positions, so leave out those where it is False.": (
            read(fit.any(1, keepdim=True).expand_as(fit), one_hot, best)
        ),
        "The lowest score is taken: take the highest.": read(
            fit, one_hot, lambda s: s.view(-1, n_squares, 3).argmin(-1) - 1
        ),
    }
    for penalty in (0.0, 1e-4, 0.01, 0.1, 1.0, 10.0):
        why = "The ridge's penalty is not `penalty=1e-3`"
        other = read(fit, one_hot, best, penalty)
        if not torch.equal(other, right):
            mistakes[f"{why}: it reads as with {penalty:g}."] = other
    if isinstance(got, Tensor) and got.shape == x[fit].shape[:1] + board.shape[-1:]:
        raise Wrong("That is one reading for each position in `fit`: read *every* position.")
    if isinstance(got, Tensor) and got.shape == board.flatten(0, 1).shape:
        raise Wrong("Games and times are one axis still: return [game time square].")
    match(got, right, what="The boards that are read", mistakes=mistakes)


@exercise("utils.reading.world.read_boards", in_double=True)
def check_read_boards(read_boards) -> str:
    """Features in which states are linear up to noise; what is not fitted on differs."""
    for seed, case in enumerate(((9, 6, 4), (12, 5, 3))):
        _read_boards(read_boards, seed, *case)
    return "Fitted on some positions, read on all."


# ---- The edit -----------------------------------------------------------------------------------


def _flip_along(flip_along, seed, n, d, scale) -> None:
    draw = torch.Generator().manual_seed(seed)
    resid = 2 * torch.randn(n, d, generator=draw)
    direction = torch.randn(n, d, generator=draw)
    length = torch.linspace(0.5, 2, n)[:, None] if n > 1 else torch.tensor([[1.7]])
    direction = direction / direction.norm(dim=-1, keepdim=True) * length
    wanted = torch.tensor([1.5, -2.0, 0.9, -1.2])[:n]  # scores of both signs
    bias = wanted - (resid * direction).sum(-1)
    right_step = (1 + scale) * wanted

    def moved(
        amount: Tensor,
        *,
        along: Tensor = direction,
        size: Tensor | None = None,
        keep: float = 1.0,
    ) -> Tensor:
        size = direction.pow(2).sum(-1) if size is None else size
        return keep * resid - (amount / size)[:, None] * along

    norm, dot = direction.norm(dim=-1), (resid * direction).sum(-1)
    unit = direction / norm[:, None]
    right = moved(right_step)
    mistakes = {
        "The stream has not moved: return the changed stream.": resid,
        "The bias is left out: the score is `resid @ direction + bias`.": moved((1 + scale) * dot),
        "The direction was made one long, and the bias was not: the score is that of the "
        "direction as it was given, `resid @ direction + bias`.": moved(
            (1 + scale) * (dot / norm + bias), along=unit, size=torch.ones(n)
        ),
        "The bias has the other sign: the score is `resid @ direction + bias`.": moved(
            (1 + scale) * (dot - bias)
        ),
        "Divide by the direction's length *squared*: the score grows with the length once, and "
        "the step along it once more.": moved(right_step, size=norm),
        "The direction's length is not taken out: divide by its length squared.": moved(
            right_step, size=torch.ones(n)
        ),
        "The direction's length is taken out once too often: divide by its length squared, or "
        "step along the direction of length 1 by score over length.": moved(right_step, along=unit),
        "The wrong way: the score has grown. Subtract.": moved(-right_step),
        "The sign of the score is lost: below 0 it must go up, and above 0 down.": moved(
            right_step.abs()
        ),
        "The stream was replaced by the step: add the step to what stood there.": moved(
            right_step, keep=0.0
        ),
        "All examples got the first one's direction and bias: each has its own.": (
            resid
            - ((1 + scale) * (resid @ direction[0] + bias[0]) / direction[0].pow(2).sum())[:, None]
            * direction[0]
        ),
        "Those are the scores, or the amounts of the step: return the stream.": wanted,
    }
    if scale:
        mistakes |= {
            "You went only as far as score 0 at scale 1: to arrive at *minus* scale times the "
            "score, the step is 1 + scale times as long.": moved(scale * wanted),
            "The score ended at *plus* scale times what it was.": moved((1 - scale) * wanted),
        }
    if scale not in (0.0, 1.0):
        mistakes |= {
            "The scale is ignored: at scale 1 that would do.": moved(2 * wanted),
            "The score must change by 1 + scale times itself, not by 2 * scale.": moved(
                2 * scale * wanted
            ),
        }
    mistakes = {
        why: value
        for why, value in mistakes.items()
        if value.shape != right.shape or not torch.allclose(value, right, atol=1e-3)
    }
    got = flip_along(resid, direction, bias, scale)
    match(got, right, what=f"The stream at scale {scale:g}", mistakes=mistakes)


@exercise("utils.reading.world.flip_along")
def check_flip_along(flip_along) -> str:
    """Directions of several lengths, scores of both signs; many examples and one."""
    for seed, case in enumerate(((4, 6, 2.5), (3, 5, 1.0), (1, 4, 0.0))):
        _flip_along(flip_along, seed, *case)
    return "Each score where it should be, and nothing else moved."


@investigation("fault", course=("b3",))
def check_fault(answer) -> str:
    """The name of the square."""
    if isinstance(answer, Tensor) or hasattr(answer, "tolist"):
        answer = answer.tolist()
    answer = (answer,) if isinstance(answer, str | int) else tuple(answer)
    expect(len(answer) == 1, f"Give one square, not {len(answer)}.")
    square = answer[0].item() if hasattr(answer[0], "item") else answer[0]
    if isinstance(square, int) and 0 <= square < 36:
        square = f"{'abcdef'[square % 6]}{square // 6 + 1}"
    names = {f"{column}{row}" for column in "abcdef" for row in range(1, 7)}
    expect(
        isinstance(square, str) and square.lower() in names,
        f"{square!r} is not a square: squares are called a1 to f6.",
    )
    square, right = square.lower(), f"{'abcdef'[FAULTY % 6]}{FAULTY // 6 + 1}"
    expect(
        square != right[::-1] and square != f"{'abcdef'[FAULTY // 6]}{FAULTY % 6 + 1}",
        "Are row and column exchanged? Squares are numbered row by row; `name_of` gives the name.",
    )
    expect(
        square == right,
        f"It is not {square}. Compare how well a flip of {square} explains the model's moves with "
        "every other square, at positions where the squares have discs.",
    )
    return "That is the square on which the disc is flipped."


# ---- Where the board is made --------------------------------------------------------------------


def _hooked(model, tokens: Tensor, hooks: list) -> Tensor:
    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=hooks)


def _sweep_components(sweep_components, seed, n, n_pos, layer) -> None:
    model, draw = _tiny(seed), torch.Generator().manual_seed(seed)
    tokens = torch.randint(7, (n, n_pos), generator=draw)
    lengths = torch.tensor([n_pos, n_pos - 2, n_pos - 1, 3])[:n]
    going = torch.arange(n_pos) < lengths[:, None]
    going[:, 0] = False  # as in the lesson: nothing has been played, so there is nothing to read
    names = [f"blocks.{i}.hook_{part}_out" for i in range(layer) for part in ("attn", "mlp")]
    names = names[::-1]
    look = torch.randn(n, n_pos, 8, generator=draw) * going[..., None]

    def read(stream, look=look):
        return (stream * look).sum().item()

    def swept(mean: Callable[[Tensor], Tensor], at: str = "", after: bool = False) -> list:
        found = []
        for i, name in enumerate(names):
            kept = {}
            place = at or f"blocks.{layer}.hook_resid_pre"
            hooks = [(name, lambda out, hook: mean(out).expand_as(out))]
            if after:
                earlier = names[: i + 1]
                hooks = [(each, lambda out, hook: mean(out).expand_as(out)) for each in earlier]
            _hooked(model, tokens, [*hooks, (place, lambda x, hook, kept=kept: kept.update(x=x))])
            found.append(read(kept["x"]))
        return found

    weight = going[..., None].float()

    def right_mean(out):
        return (out * weight).sum(0, keepdim=True) / weight.sum(0, keepdim=True).clamp(min=1)

    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    plain = read(cache[f"blocks.{layer}.hook_resid_pre"])
    got = sweep_components(model, tokens, going, names, read, layer=layer)
    expect(isinstance(got, dict), f"Return a dict, component -> number, not {described(got)}.")
    expect(
        set(got) == set(names),
        "The dict should have one entry for each of `components`, under its name.",
    )
    for name in names:
        expect(
            isinstance(got[name], float | int) or getattr(got[name], "ndim", 1) == 0,
            f"An entry is what `read` gives, a number, not {described(got[name])}.",
        )
    mistakes = {
        "Nothing is ablated: does the hook return the mean, in the output's shape?": [plain]
        * len(names),
        "The mean runs over all games, those that have ended, too: weight it by `going`.": swept(
            lambda out: out.mean(0, keepdim=True)
        ),
        "The mean runs over positions as well: take it at each position by itself.": swept(
            lambda out: (out * weight).sum((0, 1), keepdim=True) / weight.sum()
        ),
        "The mean runs over all games and positions: at each position by itself, over the "
        "games that are `going`.": swept(lambda out: out.mean((0, 1), keepdim=True)),
        "The mean runs over positions, in each game: take it over games.": swept(
            lambda out: out.mean(1, keepdim=True)
        ),
        "You put zeros in its place: that is zero ablation. Put the mean.": swept(
            lambda out: torch.zeros_like(out)
        ),
        "The sum is divided by the number of all games: divide by how many are `going`.": swept(
            lambda out: (out * weight).mean(0, keepdim=True)
        ),
        "The components add up: each is ablated alone.": swept(right_mean, after=True),
        "You read the stream before another block: it is that before block `layer`.": swept(
            right_mean, at=f"blocks.{layer}.hook_resid_post"
        ),
    }
    values = torch.tensor([float(got[name]) for name in names])
    expect(
        not bool(values.isnan().any()),
        "NaN comes out: at a position where no game is `going` you divide 0 by 0, and the NaN goes "
        "on from there. Give the number of games there a `.clamp(min=1)`.",
    )
    match(
        values,
        torch.tensor(swept(right_mean)),
        what=f"What is read after the ablations ({', '.join(names)})",
        mistakes={why: torch.tensor(value) for why, value in mistakes.items()},
    )
    with torch.no_grad():
        again, _ = model.run_with_cache(tokens)
        _, cache = model.run_with_cache(tokens)
    expect(
        abs(read(cache[f"blocks.{layer}.hook_resid_pre"]) - plain) < 1e-4,
        "A hook is left on the model: use `run_with_hooks`.",
    )


@exercise("utils.reading.world.sweep_components")
def check_sweep_components(sweep_components) -> str:
    """A small model, games of different lengths, and a reading that sees every entry."""
    for seed, case in enumerate(((4, 6, 2), (3, 5, 1))):
        _sweep_components(sweep_components, seed, *case)
    return "Each component alone, with its mean of the same move in its place."


def _attention_to_own(attention_to_own, seed, n, heads, n_pos) -> None:
    raw = _random(n, heads, n_pos, n_pos, seed=seed)
    raw = raw.masked_fill(torch.arange(n_pos)[:, None] < torch.arange(n_pos), -torch.inf)
    pattern = raw.softmax(-1)
    lengths = torch.tensor([n_pos, n_pos - 2, n_pos - 1])[:n]
    at = torch.arange(n_pos)
    going = (at < lengths[:, None]) & (at > 0)

    def count(
        own: Callable[[int, int], bool],
        moves: Callable[[int, int], bool] = lambda t, k: 1 <= k <= t,
        which: Tensor = going,
    ) -> tuple[Tensor, Tensor]:
        sums = torch.zeros(2, n, heads, n_pos)
        for g in range(n):
            for t in range(n_pos):
                for k in range(t + 1):
                    if which[g, t] and moves(t, k):
                        sums[1, g, :, t] += pattern[g, :, t, k]
                        if own(t, k):
                            sums[0, g, :, t] += pattern[g, :, t, k]
        return sums[0], sums[1]

    def total(own, moves=lambda t, k: 1 <= k <= t, which=going) -> Tensor:
        a, b = count(own, moves, which)
        return a.sum((0, 2)) / b.sum((0, 2))

    def odd(t: int, k: int) -> bool:
        return (t - k) % 2 == 1

    a, b = count(odd)
    each = torch.where(b > 0, a / b.clamp(min=1e-12), 0)
    mistakes = {
        "Own and other are exchanged: the last move, at distance 0, was the *other* player's, "
        "so own moves have an odd distance.": total(lambda t, k: not odd(t, k)),
        "BOS is counted as a move, own and all: position 0 is no move.": total(
            odd, lambda t, k: k <= t
        ),
        "BOS is counted among the own moves, and not among all: position 0 is no move.": (
            count(odd, lambda t, k: k <= t)[0].sum((0, 2)) / b.sum((0, 2))
        ),
        "That is the share of *all* attention, with that to BOS; take the share of that to "
        "moves.": (a.sum((0, 2)) / going.sum()),
        "Positions after a game's end are counted: use `going`.": total(
            odd, which=(at > 0).expand(n, -1)
        ),
        "All positions are counted: use `going`.": total(odd, which=torch.ones_like(going)),
        "By the parity of the position, not of the distance: who is to move changes from time "
        "to time.": total(lambda t, k: k % 2 == 1),
        "The last move itself is left out: it is a move, too.": total(odd, lambda t, k: 1 <= k < t),
        "You averaged shares over positions: add up all attention first, then divide.": (
            each.sum((0, 2)) / going.sum()
        ),
        "That is the ratio of own to other attention: take the share.": (
            a.sum((0, 2)) / (b - a).sum((0, 2))
        ),
    }
    got = attention_to_own(pattern, going)
    match(got, total(odd), what="The shares, one for each head", mistakes=mistakes)


@exercise("utils.reading.world.attention_to_own")
def check_attention_to_own(attention_to_own) -> str:
    """Random patterns, counted entry by entry."""
    for seed, case in enumerate(((3, 4, 6), (2, 1, 5))):
        _attention_to_own(attention_to_own, seed, *case)
    return "Whose moves a head looks at, whatever it gives to BOS."


# ---- Two orders ---------------------------------------------------------------------------------


class _Player(torch.nn.Module):
    """Plays by planted rules; what it accepts depends on the sum of what it has read."""

    def __init__(self, seed: int, n: int):
        super().__init__()
        logits = 3 * _random(5, n, seed=seed)
        self.register_buffer("table", logits)
        self.read: list[Tensor] = []

    def forward(self, tokens: Tensor) -> Tensor:
        self.read.append(tokens.clone())
        return self.table[tokens.cumsum(-1) % 5]


def _accepted(continuations_accepted, seed, n, n_pos, n_moves, epsilon) -> None:
    player = _Player(seed, 6)
    draw = torch.Generator().manual_seed(seed)
    first, second = torch.randint(6, (2, n, n_pos), generator=draw)
    second[: n // 3] = first[: n // 3].flip(-1)

    def play(
        *,
        weights=lambda p: p * (p > epsilon),
        test=lambda q, p: q > epsilon,
        join=(True, True),
        shift: int = 0,
        so_far: bool = True,
        swap: bool = False,
        greedy: bool = False,
        after_first: bool = False,
    ) -> Tensor:
        a, b = (second, first) if swap else (first, second)
        again = torch.Generator().manual_seed(7)
        good, found = torch.ones(n, dtype=torch.bool), []
        for _ in range(n_moves):
            p, q = (player(x)[:, -1].softmax(-1) for x in (a, b))
            w = weights(p)
            move = (
                w.argmax(-1, keepdim=True) if greedy else torch.multinomial(w, 1, generator=again)
            )
            here = test((p if after_first else q).gather(1, move)[:, 0], p.gather(1, move)[:, 0])
            good = good & here
            found.append(good if so_far else here)
            move = move + shift
            a = torch.cat([a, move], 1) if join[0] else a
            b = torch.cat([b, move], 1) if join[1] else b
        return torch.stack(found, 1)

    got = continuations_accepted(
        player,
        first,
        second,
        n_moves=n_moves,
        epsilon=epsilon,
        generator=torch.Generator().manual_seed(7),
    )
    mistakes = {
        "Moves are drawn that the model does not accept: set those of `epsilon` or less to 0 "
        "before you draw.": play(weights=lambda p: p),
        "An entry tells of one move alone: it should be False once a move has been refused.": (
            play(so_far=False)
        ),
        "The moves are drawn after the second: draw after the first.": play(swap=True),
        "The likeliest move is taken: draw by probability.": play(greedy=True),
        "The move is judged after the *first* order, where it was drawn: judge it after the "
        "second.": play(after_first=True),
        "The moves are not put at the end of both.": play(join=(False, False)),
        "The moves are not put at the end of the second.": play(join=(True, False)),
        "The moves are not put at the end of the first.": play(join=(False, True)),
        "The move's token is one too high: a square's token is its own number, for BOS is the "
        "last of the vocabulary.": play(shift=1),
        "True and False are exchanged.": ~play(),
        "A move counts as accepted if it is likelier than after the first: compare with "
        "`epsilon`.": play(test=lambda q, p: q > p),
        "All accepted moves are drawn alike: draw by their probabilities.": play(
            weights=lambda p: (p > epsilon).float()
        ),
        "The probabilities are compared with another number than `epsilon`.": play(
            test=lambda q, p: q > 0.01
        ),
    }
    aliased = ~torch.ones(n, n_moves, dtype=torch.bool) | play()[:, -1:]
    mistakes[
        "All columns are alike: one tensor is changed in place and kept many times. Make a new one "
        "for each move, `good = good & ...`."
    ] = aliased
    right = play()
    wrong = {why: value for why, value in mistakes.items() if not torch.equal(value, right)}
    match(got, right, what="What is accepted", mistakes=wrong)
    expect(
        not isinstance(got, Tensor) or got.dtype == torch.bool,
        "Give True and False (a tensor of `torch.bool`).",
    )


@exercise("utils.reading.world.continuations_accepted")
def check_continuations_accepted(continuations_accepted) -> str:
    """A planted player; its draws are repeated with the same generator, and in distribution."""
    for seed, case in enumerate(((40, 3, 4, 0.05), (30, 2, 1, 0.15), (80, 4, 3, 0.1))):
        _accepted(continuations_accepted, seed, *case)
    return "What the model would play after one order, judged after the other."


# ---- Latents --------------------------------------------------------------------------


def _one_latent(acts: Tensor, facts: Tensor, cuts: tuple[float, ...]) -> Tensor:
    """The F1 of the latent that is best on average, at each fact's best cut."""
    says = torch.stack([acts > cut * acts.amax(0) for cut in cuts]).float()
    hits = torch.einsum("cnl,nf->clf", says, facts.float())
    f1 = (2 * hits / (says.sum(1)[..., None] + facts.float().sum(0))).amax(0)
    return f1[f1.mean(1).argmax()]


def _coverage(coverage, seed, n, latents, n_facts, cuts) -> None:
    acts = _random(n, latents, seed=seed).relu() * torch.linspace(1, 5, latents)
    facts = _random(n, n_facts, seed=seed + 9) > torch.linspace(-0.8, 0.8, n_facts)
    # Three latents that tell a fact, each at its own cut; one of them is always active.
    r = torch.rand(n, generator=torch.Generator().manual_seed(seed + 5))
    acts[:, 0] = torch.where(facts[:, 0], 1.4 + 2.6 * r, 0.05 + 0.5 * r)
    acts[:, 1] = torch.where(facts[:, 2], 2.6 + 1.4 * r, 1 + r)
    if latents > 3:
        acts[:, 2] = torch.where(facts[:, 1], 3.2 + 0.8 * r, 1.7 * r)
    acts[:, -1] = 0

    def best(
        score: Callable[[float, float, float], float],
        cut_of: Callable[[int, float], float] = lambda i, cut: cut * acts[:, i].max().item(),
        over: Callable[[list], float] = max,
        chosen: tuple[float, ...] = cuts,
        last: bool = False,
    ) -> Tensor:
        found = []
        for fact in range(n_facts):
            values = []
            for cut in chosen[-1:] if last else chosen:
                for i in range(latents):
                    says = acts[:, i] > cut_of(i, cut)
                    both = (says & facts[:, fact]).sum().item()
                    values.append(score(both, says.sum().item(), facts[:, fact].sum().item()))
            found.append(over(values))
        return torch.tensor(found)

    def f1(both: float, says: float, holds: float) -> float:
        return 2 * both / (says + holds)

    right = best(f1)
    mistakes = {
        "The cut is the same for all latents: it is a share of each one's largest "
        "activation.": best(f1, lambda i, cut: cut),
        "The largest activation of *all* latents sets the cut: each has its own.": best(
            f1, lambda i, cut: cut * acts.max().item()
        ),
        "The cut is a share of the way from the smallest to the largest activation: it is a share "
        "of the largest.": best(
            f1,
            lambda i, cut: (acts[:, i].min() + cut * (acts[:, i].max() - acts[:, i].min())).item(),
        ),
        "One cut for all facts: each fact has a latent and a cut of its own.": torch.stack(
            [best(f1, chosen=(cut,)) for cut in cuts]
        )[torch.stack([best(f1, chosen=(cut,)) for cut in cuts]).mean(1).argmax()],
        "One latent for all facts: each fact has a latent and a cut of its own.": _one_latent(
            acts, facts, cuts
        ),
        "That is precision: true positives over yeses.": best(
            lambda both, says, holds: both / max(says, 1)
        ),
        "That is recall: true positives over the times that the fact holds.": best(
            lambda both, says, holds: both / holds
        ),
        "The 2 is missing: F1 is twice the true positives over the sum.": best(f1) / 2,
        "That is the mean over latents and cuts: take the best.": best(
            f1, over=lambda values: sum(values) / len(values)
        ),
        "Only the last cut counts: take the best of all.": best(f1, last=True),
        "Only the first cut counts: take the best of all.": best(f1, chosen=cuts[:1]),
        "That is the worst: take the best.": best(f1, over=min),
        "One number for each fact: the lesson averages later.": best(f1).mean(),
        "The yeses are counted twice: 2 * true positives over (yeses + times it holds).": best(
            lambda both, says, holds: 2 * both / (2 * says + holds)
        ),
    }
    named = {
        why: value
        for why, value in mistakes.items()
        if value.shape != right.shape or not torch.allclose(value, right)
    }
    match(coverage(acts, facts, cuts=cuts), right, what="The best F1 of each fact", mistakes=named)


@exercise("utils.reading.world.coverage")
def check_coverage(coverage) -> str:
    """Random activations and facts, counted one by one; a latent that is never active."""
    for seed, case in enumerate(((40, 5, 3, (0.3, 0.6, 0.0)), (25, 3, 4, (0.5,)))):
        _coverage(coverage, seed, *case)
    return "The best single latent for each fact."
