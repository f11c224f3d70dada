"""Checks of lesson 4.2, sparse autoencoders."""

import itertools
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match, trains
from utils.checks.inputs import described


def _drawn(*size: int, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


# ---- TopK ---------------------------------------------------------------------------------------


def _keep(pre: Tensor, k: int, *, score=lambda pre: pre, dim: int = -1, relu=True) -> Tensor:
    at = score(pre).topk(k, dim=dim).indices
    values = pre.gather(dim, at)
    return torch.zeros_like(pre).scatter(dim, at, values.relu() if relu else values)


@exercise("utils.features.planted.top_k_sae")
def check_top_k_sae(top_k_sae) -> str:
    """Four vectors of eight numbers, with planted pre-activations of seven latents."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    sizes = ((8, 7), (7,), (7, 8), (8,))
    drawn = {n: _drawn(*s, seed=i) for i, (n, s) in enumerate(zip(names, sizes, strict=True))}
    W_enc, b_enc, W_dec, b_dec = drawn.values()
    planted = torch.tensor(
        [
            [2.0, -0.5, 1.0, 0.3, 0.2, -3.0, 0.6],
            [-0.5, -1.0, -0.2, 1.5, -2.0, -0.7, 0.05],
            [0.4, 0.9, 0.8, -1.2, 1.1, 0.7, 0.5],
            [-0.3, 0.1, 2.5, 1.9, -4.0, 1.4, 1.3],
        ]
    )
    x = b_dec + (planted - b_enc) @ torch.linalg.pinv(W_enc)
    given = {"x": x, **drawn}
    for k in (3, 1):
        trained = {n: v.clone().requires_grad_(n != "x") for n, v in given.items()}
        returned = top_k_sae(*trained.values(), k=k)
        expect(
            isinstance(returned, tuple | list) and len(returned) == 2,
            "Return two things: the activations and the reconstruction.",
        )
        pre = (x - b_dec) @ W_enc + b_enc
        acts = _keep(pre, k)
        out = acts @ W_dec + b_dec
        match(
            returned[0],
            acts,
            what="The activations",
            mistakes={
                "`b_dec` was not subtracted from `x` before encoding.": _keep(x @ W_enc + b_enc, k),
                "`b_dec` was added to `x` before encoding: it is subtracted there.": _keep(
                    (x + b_dec) @ W_enc + b_enc, k
                ),
                "`b_enc` is missing.": _keep((x - b_dec) @ W_enc, k),
                "You encoded with the decoder's transpose: the encoder has its own weights.": _keep(
                    (x - b_dec) @ W_dec.T + b_enc, k
                ),
                "There are negative activations: where fewer than k are above 0, fewer are kept.": (
                    _keep(pre, k, relu=False)
                ),
                "The k largest in *size* were chosen: a very negative pre-activation is an "
                "inactive latent.": _keep(pre, k, score=torch.abs),
                "The top k were chosen over the vectors, axis 0: each vector has its own k.": _keep(
                    pre, k, dim=0
                ),
                "You kept the largest of the whole batch: each vector has k of its own.": _keep(
                    pre.flatten(), k * len(x)
                ).view_as(pre),
                "You kept k + 1.": _keep(pre, k + 1),
                "All positive ones are kept: that is a ReLU SAE.": pre.relu(),
                "The chosen latents became 1: keep their pre-activations.": (acts > 0).float(),
                "You returned the reconstruction first: the activations come first.": out,
                "Those are the k values alone: put each at its latent's place, zeros elsewhere.": (
                    pre.topk(k).values.relu()
                ),
            },
        )
        match(
            returned[1],
            out,
            what="The reconstruction",
            mistakes={
                "The activations are right. `b_dec` was not added back.": acts @ W_dec,
                "The activations are right. The reconstruction was made of all pre-activations.": (
                    pre @ W_dec + b_dec
                ),
                "The activations are right. You decoded with the encoder's transpose.": (
                    acts @ W_enc.T + b_dec
                ),
                "The activations are right. The reconstruction went through a ReLU too.": (
                    out.relu()
                ),
            },
        )
        trains(returned[1], *list(trained.values())[1:])
    return "Centred, encoded, cut to k, decoded."


# ---- The training loop --------------------------------------------------------------------------


class _Small(nn.Module):
    """A ReLU autoencoder with a penalty, far from length 1 after a step."""

    def __init__(self, seed: int):
        super().__init__()
        self.W_dec = nn.Parameter(F.normalize(_drawn(6, 4, seed=seed)))
        self.W_enc = nn.Parameter(_drawn(4, 6, seed=seed + 1))
        self.b_dec = nn.Parameter(_drawn(4, seed=seed + 2))

    def loss(self, x: Tensor, **_) -> tuple[Tensor, Tensor]:
        acts = ((x - self.b_dec) @ self.W_enc).relu()
        error = (acts @ self.W_dec + self.b_dec - x).square().sum(-1).mean()
        return error + 0.1 * acts.sum(-1).mean(), (acts > 0).any(0)


class _Open:
    """Hands on an SAE whose weights may change, since that is what training does."""

    __slots__ = ("_inner",)

    def __init__(self, inner: nn.Module):
        object.__setattr__(self, "_inner", inner)

    def __getattr__(self, name: str):
        if name == "__dict__":
            raise AttributeError(name)
        return getattr(object.__getattribute__(self, "_inner"), name)

    def __setattr__(self, name: str, value) -> None:
        setattr(object.__getattribute__(self, "_inner"), name, value)


def _columns(W: Tensor) -> Tensor:
    return W / W.norm(dim=0, keepdim=True)


def _rate(step: int, steps: int) -> float:
    return min(1.0, 2 * (1 - step / steps))


def _fitted(
    vectors: list[Tensor],
    lr: float,
    *,
    seed: int,
    rate=_rate,
    clear: bool = True,
    normed=lambda W: F.normalize(W),
    before: bool = False,
    which=lambda step: step,
    anew: bool = False,
    optimizer=torch.optim.Adam,
    take: int | None = None,
    late: bool = False,
    only_last: bool = False,
    other_lr: float | None = None,
) -> tuple[Tensor, Tensor]:
    """All weights after a training, and its losses; the arguments are the ways to go wrong."""
    sae, losses, steps = _Small(seed), [], len(vectors)
    lr = other_lr or lr
    adam = optimizer(sae.parameters(), lr=lr)
    for step in range(steps)[:take]:
        if anew:
            adam = optimizer(sae.parameters(), lr=lr)
        for group in adam.param_groups:
            group["lr"] = lr * rate(step, steps)
        x = vectors[which(step) % steps]
        if before:
            with torch.no_grad():
                sae.W_dec.copy_(normed(sae.W_dec))
        loss, _ = sae.loss(x)
        if clear:
            adam.zero_grad()
        loss.backward()
        adam.step()
        if not before and not (only_last and step + 1 < steps):
            with torch.no_grad():
                sae.W_dec.copy_(normed(sae.W_dec))
        losses.append((sae.loss(x)[0] if late else loss).item())
    return torch.cat([p.detach().flatten() for p in sae.parameters()]), torch.tensor(losses)


@exercise("utils.features.planted.fit", keeps_gradient=False)
def check_fit(fit) -> str:
    """Trainings of eight and of five steps, each compared with one that is done here."""
    for steps, lr, seed in ((8, 0.05, 0), (5, 0.02, 10)):
        batches = [_drawn(12, 4, seed=100 + seed + i) + 0.5 for i in range(steps)]
        asked, sae = [], _Small(seed)

        def vectors(step: int, batches=batches, asked=asked) -> Tensor:
            asked.append(step)
            return batches[step].clone()

        losses = fit(_Open(sae), vectors, steps=steps, lr=lr)
        expect(losses is not None, "Return the losses: a list of one number for each step.")
        expect(
            not any(isinstance(loss, Tensor) and loss.requires_grad for loss in losses),
            "A loss that is kept as a tensor keeps its whole graph: keep `loss.item()`.",
        )
        expect(
            len(losses) == steps,
            f"There should be a loss for each of {steps} steps, and there are {len(losses)}.",
        )
        expect(
            asked == list(range(steps)),
            f"The vectors of these steps were asked for: {asked}. Ask for each of 0 to "
            f"{steps - 1} once, in order.",
        )
        right, right_losses = _fitted(batches, lr, seed=seed)
        ways = {
            "Gradients add up from step to step: call `zero_grad` in each.": {"clear": False},
            "The learning rate stays the same: it falls in the second half.": {
                "rate": lambda step, steps: 1.0
            },
            "The learning rate falls from the first step on: it begins to in the second half.": {
                "rate": lambda step, steps: 1 - step / steps
            },
            "The learning rate is one step ahead: at step t of T it is lr * 2 * (1 - t / T).": {
                "rate": lambda step, steps: _rate(step + 1, steps)
            },
            "The learning rate starts at twice `lr`: it is lr in the first half.": {
                "rate": lambda step, steps: 2 * (1 - step / steps)
            },
            "The directions are free: bring each row of `W_dec` back to length 1 after a step.": {
                "normed": lambda W: W
            },
            "You divided by the lengths of the columns: a latent's direction is a *row* of "
            "`W_dec`.": {"normed": _columns},
            "You divided `W_dec` by one length: each row has its own.": {
                "normed": lambda W: W / W.norm()
            },
            "The rows were brought to length 1 before the step: after the last step they have "
            "other lengths.": {"before": True},
            "The rows were brought to length 1 only at the end: do it after each step.": {
                "only_last": True
            },
            "`lr` is not used: the rate was another one.": {"rate": _rate, "other_lr": 1e-2},
            "Rows were divided by their squared length.": {
                "normed": lambda W: W / W.square().sum(1, keepdim=True)
            },
            "Adam is made anew in each step, and forgets its averages: make it once.": {
                "anew": True
            },
            "That is plain gradient descent: use Adam.": {"optimizer": torch.optim.SGD},
            "That is AdamW, which also shrinks weights: use Adam.": {
                "optimizer": torch.optim.AdamW
            },
        }
        got = torch.cat([p.detach().flatten() for p in sae.parameters()])
        expect(
            not torch.equal(
                got, torch.cat([p.detach().flatten() for p in _Small(seed).parameters()])
            ),
            "The weights are as they were: is there a `backward` and a `step`, and do new values "
            "go into `sae.W_dec` itself, in place?",
        )
        match(
            got,
            right,
            what="The weights after training",
            mistakes={why: _fitted(batches, lr, seed=seed, **way)[0] for why, way in ways.items()},
        )
        late = _fitted(batches, lr, seed=seed, late=True)[1]
        match(
            torch.tensor([float(loss) for loss in losses]),
            right_losses,
            what="The losses",
            mistakes={"A loss was taken after its step: take it before the update.": late},
        )
    return "Every competitor can go through this loop."


# ---- Twins --------------------------------------------------------------------------------------


def _at(degrees: float, plane: int, length: float = 1.0) -> Tensor:
    """A direction in one of four planes that are at right angles."""
    angle, out = torch.tensor(degrees).deg2rad(), torch.zeros(8)
    out[2 * plane], out[2 * plane + 1] = angle.cos() * length, angle.sin() * length
    return out


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a) @ F.normalize(b).T


def _assigned(cosine: Tensor, sign: int = 1) -> list[tuple[int, int]]:
    """The best pairs, by trying all."""
    n, m = cosine.shape
    if n > m:
        return [(i, j) for j, i in _assigned(cosine.T, sign)]
    tries = itertools.permutations(range(m), n)
    best = max(tries, key=lambda js: sign * sum(cosine[i, j].item() for i, j in enumerate(js)))
    return list(enumerate(best))


def _paired(cosine: Tensor, above: float, pairs=None) -> Tensor:
    found = torch.zeros(len(cosine), dtype=torch.bool)
    for i, j in _assigned(cosine) if pairs is None else pairs:
        found[i] = cosine[i, j] > above
    return found


def _greedy(cosine: Tensor) -> list[tuple[int, int]]:
    pairs, left = [], set(range(cosine.shape[1]))
    for i in range(len(cosine)):
        if left:
            j = max(left, key=lambda j: cosine[i, j].item())
            left.remove(j)
            pairs.append((i, j))
    return pairs


@exercise("utils.features.planted.twins", keeps_gradient=False)
def check_twins(twins) -> str:
    """Directions in four planes: a rival's twin, a copy, an opposite, one that is near."""
    a = torch.stack(
        [_at(1, 0, 2.0), _at(20, 0), _at(123, 1), _at(119, 1, 0.3), _at(40, 2), _at(200, 3, 3.0)]
    )
    b = torch.stack(
        [_at(120, 1, 5.0), _at(10, 0), _at(-15, 0, 0.5), _at(220, 2), _at(230, 3), _at(66, 2)]
    )
    b = torch.cat([b, _at(70, 1)[None]])
    cases = [(a, b, 0.9), (b, a, 0.9), (a, b, 0.8), (a[:2], b[:2], 0.97)]
    cases.append((_at(30, 1)[None], torch.stack([_at(210, 1, 2.0)]), 0.9))  # one pair, opposite
    for first, second, above in cases:
        cosine = _cosines(first, second)
        got = twins(first, second, above=above)
        if isinstance(got, Tensor) and got.ndim == 1 and got.dtype != torch.bool:
            raise Wrong("Return True or False for each direction of `a`: a tensor of bools.")
        nearest = cosine.max(1)
        mutual = cosine.max(0).indices[nearest.indices] == torch.arange(len(first))
        right = _paired(cosine, above)
        match(
            got,
            right,
            what="Who has a twin",
            mistakes={
                "Each direction looked for its nearest, and several found the same one: pair them "
                "one to one.": nearest.values > above,
                "Only pairs that are each other's nearest count with you: choose the pairs whose "
                "cosines have the largest *sum*.": (nearest.values > above) & mutual,
                "The directions took their partners one after the other, the first ones first: "
                "choose all pairs at once.": _paired(cosine, above, _greedy(cosine)),
                "An opposite direction counts as a twin: keep the sign of the cosine.": _paired(
                    cosine.abs(), above
                ),
                "The pairs have the *smallest* sum of cosines: the cost is the negative "
                "cosine.": _paired(cosine, above, _assigned(cosine, -1)),
                "Those are products of the directions as they are: bring them to length 1.": (
                    _paired(first @ second.T, above)
                ),
                "That says which of `b` have a twin in `a`: it should be which of `a` have one in "
                "`b`.": _paired(cosine.T, above),
                "`above` is not used.": _paired(cosine, 0.9),
            },
        )
    return "One to one, so that copies do not count twice."


# ---- Splice -------------------------------------------------------------------------------------


def _model(seed: int) -> TransformerBridge:
    """Three layers with random weights, and a tokenizer that knows its BOS alone."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3,
            "n_heads": 2,
            "d_head": 4,
            "d_model": 8,
            "d_mlp": 12,
            "d_vocab": 11,
            "n_ctx": 9,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        },
        device="cpu",
    ).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=random)
            weight.copy_(1 + 0.3 * noise if "ln" in name and weight.ndim == 1 else 0.5 * noise)
    model.tokenizer = SimpleNamespace(bos_token_id=7)
    with torch.no_grad():
        model(torch.tensor([[7, 1]]))  # the first run leaves hooks of its own
    return model


@torch.no_grad()
def _spliced(
    model,
    row: Tensor,
    change,
    *,
    hook: str,
    bos: int | None = 7,
    start: int = 1,
    shift: int = 1,
    reduce=torch.mean,
) -> Tensor:
    tokens = row if bos is None else torch.cat([torch.tensor([bos]), row])

    def splice(resid, hook):
        return torch.cat([resid[:, :start], change(resid[0, start:])[None]], 1)

    with model.hooks(fwd_hooks=[(hook, splice)]):
        logits = model(tokens[None])[0]
    right = tokens[shift:]
    return reduce(-logits.log_softmax(-1)[range(len(right)), right])


def _runs(call) -> bool:
    try:
        call()
    except Wrong:
        return False
    return True


@exercise("utils.features.sae.spliced_loss", keeps_gradient=False)
def check_spliced_loss(spliced_loss) -> str:
    """Texts of several lengths in int32, with stand-ins that bend vectors and that mix them."""
    model = _model(seed=1)
    long = [torch.tensor(row) for row in ([3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 10, 0])]
    rows = [row.int() for row in long]  # as `texts` gives them
    mix = _drawn(8, 8, seed=2)
    for layer, change in ((1, lambda x: x @ mix), (2, lambda x: 0.3 * x.tanh()), (0, lambda x: x)):
        name = f"blocks.{layer}.hook_resid_pre"
        seen: list[Tensor] = []

        def stand_in(x: Tensor, change=change, seen=seen) -> Tensor:
            seen.append(x.detach().clone())
            return change(x)

        def each(change=change, hook=name, **how) -> Tensor:
            return torch.stack([_spliced(model, row, change, hook=hook, **how) for row in long])

        try:
            got = spliced_loss(model, rows, stand_in, layer=layer)
        except Wrong as wrong:
            if _runs(lambda change=change, at=layer: spliced_loss(model, long, change, layer=at)):
                raise Wrong(
                    "Your function runs on token ids of int64, and fails on the int32 of the "
                    "course's texts: torch's losses and indices want int64."
                ) from wrong
            raise
        expect(
            isinstance(got, Tensor),
            f"Return a tensor with a loss for each text, not {described(got)}: `torch.stack`.",
        )
        right = each()
        longest = torch.cat([torch.full((len(row),), i) for i, row in enumerate(rows)])
        whole = each(reduce=torch.sum)
        match(
            got,
            right,
            what="The losses",
            mistakes={
                "The vector of BOS was replaced too: leave it as it is.": each(start=0),
                "The first two vectors stay: only BOS's does.": each(start=2),
                "Those are the losses of the untouched model: does the hook *return* the changed "
                "stream?": each(change=lambda x: x),
                "BOS is missing before the texts.": each(bos=None, start=0),
                "BOS is missing before the texts, and the first token's vector stays.": each(
                    bos=None
                ),
                "The stream *after* the block was replaced: use `hook_resid_pre`.": each(
                    hook=f"blocks.{layer}.hook_resid_post"
                ),
                "Each position's logits were compared with the token that stands there: they are "
                "about the next one.": each(shift=0),
                "Losses were summed over a text: average over its tokens.": whole,
                "That is one loss over all tokens of all texts: one for each text.": (
                    whole.sum() / len(longest)
                ),
                "That is one number: give a loss for each text.": right.mean(),
                "That is the change of the loss: give the loss itself.": right
                - each(change=lambda x: x),
                "The stand-in was *added* to the stream: put it in the stream's place.": each(
                    change=lambda x, change=change: x + change(x)
                ),
                "The sign is turned round: a loss is minus a log probability.": -right,
            },
        )
        expect(
            all(each.ndim == 2 for each in seen),
            "The stand-in gets a text's vectors as [pos, d_model]: take the batch axis off.",
        )
    expect(not got.requires_grad if isinstance(got, Tensor) else True, "Use `torch.no_grad()`.")
    return "The rest of the model reads the stand-in, and BOS stays."


# ---- Which of them? -----------------------------------------------------------------------------


@investigation("finders", course={"Q", "S"})
def check_finders(answer) -> str:
    """The two dictionaries that found the features of the second world."""
    letters = set(answer.replace(",", "").replace(" ", "")) if isinstance(answer, str) else answer
    letters = {str(each).upper() for each in letters}
    expect(letters <= set("PQRSTUV"), "The dictionaries are called P to V: give letters of those.")
    expect(len(letters) == 2, f"Give the letters of two dictionaries; there are {len(letters)}.")
    expect(
        letters != {"R", "U"},
        "R and U agree with one another. But no random start stands on their cards, and all 32 "
        "components are active: would that method give the same directions on *any* two sets of "
        "vectors, with features or without?",
    )
    expect(
        letters != {"P", "T"},
        "P and T agree with one another, and have a good FVU. Look at where they started. With "
        "how many directions of the *other* dictionaries do they agree?",
    )
    expect(
        "V" not in letters,
        "V agrees with no other dictionary. Nothing speaks for directions that a second training "
        "did not find again.",
    )
    expect(
        not letters & {"R", "U"},
        "One of these has many twins in one other dictionary only, and none in the one that you "
        "put beside it. Which method needs no random start, and would agree with itself anyway?",
    )
    expect(
        letters == {"Q", "S"},
        "These two come from different starts, but do they agree with *each other*? A different "
        "start only removes one reason to agree; the evidence is the agreement itself. And if you "
        "went by the FVU: a low one comes with a large L0, features or not.",
    )
    return "Two kinds from two starts: of these agreements, the one with the least other reason."


# ---- A step with a slope ------------------------------------------------------------------------


def _slope(pre, threshold, grad, bandwidth, *, half=0.5, below=True, over=True) -> Tensor:
    away = pre - threshold
    near = away.abs() < half * bandwidth
    if not below:
        near &= away > 0
    if not over:
        near &= away <= 0
    return -(grad * near / bandwidth).sum(0)


@exercise("utils.features.sae.step")
def check_step(step) -> str:
    """Pre-activations around three thresholds, gradients of both signs, and a density."""
    for n, bandwidth, seed in ((40, 0.8, 0), (1, 3.0, 1), (25, 0.3, 2)):
        pre = _drawn(n, 3, seed=seed)
        pre[0, 0] = 0.3  # exactly the threshold
        pre = pre.requires_grad_()
        threshold = torch.tensor([0.3, -0.4, 0.9]).requires_grad_()
        got = step(pre, threshold, bandwidth=bandwidth)
        inside = (pre > threshold).float()
        match(
            got,
            inside,
            what="The result",
            mistakes={
                "1 where `pre` is *above* the threshold, and 0 elsewhere.": 1 - inside,
                "Where `pre` is exactly the threshold, the step is 0.": (pre >= threshold).float(),
                "You kept the pre-activations: the step itself is 1 or 0.": pre * inside,
                "The step is at 0: compare with the threshold.": (pre > 0).float(),
                "Forward it must be a step: only backward is it a ramp.": (
                    (pre - threshold) / bandwidth + 0.5
                ).clamp(0, 1),
            },
        )
        expect(
            isinstance(got, Tensor) and got.requires_grad,
            "The values are right, but nothing comes back through them: a comparison has no "
            "gradient. Make one, by a `torch.autograd.Function` or otherwise.",
        )
        grad = _drawn(n, 3, seed=seed + 10)
        to_pre, to_threshold = torch.autograd.grad(got, (pre, threshold), grad, allow_unused=True)
        expect(
            to_threshold is not None,
            "The threshold gets no gradient: `backward` returns one for each argument of "
            "`forward`, in their order.",
        )
        given = (pre.detach(), threshold.detach(), grad, bandwidth)
        right = _slope(*given)
        ones = _slope(given[0], given[1], torch.ones_like(grad), bandwidth)
        match(
            to_threshold,
            right,
            what="The gradient of the thresholds",
            mistakes={
                "The sign is wrong: a higher threshold makes *fewer* latents active.": -right,
                "The window is too wide: it goes from bandwidth / 2 below to bandwidth / 2 "
                "above.": _slope(*given, half=1.0),
                "Divide by the bandwidth: you count how many are near, and a density is that "
                "count for each unit.": right * bandwidth,
                "Only those above the threshold count with you: the window is on both sides.": (
                    _slope(*given, below=False)
                ),
                "Only those below the threshold count with you: the window is on both sides.": (
                    _slope(*given, over=False)
                ),
                "The gradient that comes in is not used: multiply by it.": ones,
                "Sum over the batch: you averaged.": right / n,
                "All thresholds get the same sum: sum over the batch alone, axis 0.": (
                    right.sum().expand(3)
                ),
                "The pre-activation is a factor too: that is the gradient of `pre * step`.": (
                    _slope(given[0], given[1], grad * given[0], bandwidth)
                ),
                "Every pre-activation counts, however far from the threshold.": -(
                    grad / bandwidth
                ).sum(0),
            },
        )
        expect(
            to_pre is None or not to_pre.any(),
            "`pre` should get no gradient from the step: return None for it.",
        )
    wide = _drawn(200_000, 1, seed=5)
    threshold = torch.tensor([0.5], requires_grad=True)
    (slope,) = torch.autograd.grad(step(wide, threshold, bandwidth=0.2).mean(), threshold)
    moved = ((wide > 0.6).float().mean() - (wide > 0.4).float().mean()) / 0.2
    expect(
        (slope - moved).abs().item() < 0.02,
        "The slope of the share of active latents does not agree with what moving the threshold "
        "from 0.4 to 0.6 does.",
    )
    return "A step forward, and the density near the threshold backward."


# ---- Matryoshka ---------------------------------------------------------------------------------


@exercise("utils.features.planted.matryoshka_loss")
def check_matryoshka_loss(matryoshka_loss) -> str:
    """Five vectors of three numbers, six latents, two or three prefixes."""
    for prefixes, seed in (((2, 6), 0), ([1, 3, 4], 1), ((6,), 2)):
        x, b_dec = _drawn(5, 3, seed=seed), _drawn(3, seed=seed + 10)
        acts = _drawn(5, 6, seed=seed + 20).relu().requires_grad_()
        W_dec = _drawn(6, 3, seed=seed + 30).requires_grad_()

        def error(chosen: slice, b=b_dec, reduce=torch.sum, x=x, a=acts, W=W_dec) -> Tensor:
            out = a[:, chosen] @ W[chosen] + b
            return reduce((out - x).square(), -1).mean()

        each = torch.stack([error(slice(m)) for m in prefixes])
        starts = [0, *prefixes[:-1]]
        parts = [error(slice(a, b)) for a, b in zip(starts, prefixes, strict=True)]
        growing = [
            error(slice(a, b), b=b_dec if a == 0 else 0.0 * b_dec)
            for a, b in zip(starts, prefixes, strict=True)
        ]
        got = matryoshka_loss(x, acts, W_dec, b_dec, prefixes=prefixes)
        match(
            got,
            each.mean(),
            what="The loss",
            mistakes={
                "The errors were added up: take their mean over `prefixes`.": each.sum(),
                "Those are separate groups of latents: each prefix begins at latent 0.": (
                    torch.stack(parts).mean()
                ),
                "Each prefix begins at latent 0, and has `b_dec`.": torch.stack(growing).mean(),
                "`b_dec` is missing.": torch.stack(
                    [error(slice(m), b=0 * b_dec) for m in prefixes]
                ).mean(),
                "Only the last prefix counts: average over all.": each[-1],
                "Only the first prefix counts: does the function return inside its loop?": each[0],
                "There is one error for each prefix: take their mean.": each,
                "The squared error was averaged over dimensions: *sum* over them.": torch.stack(
                    [error(slice(m), reduce=torch.mean) for m in prefixes]
                ).mean(),
                "The first m of the *vectors* were taken: latents are the second axis of `acts`, "
                "the first of `W_dec`.": torch.stack(
                    [(acts[:m] @ W_dec + b_dec - x[:m]).square().sum(-1).mean() for m in prefixes]
                ).mean(),
                "A prefix of m has latents 0 to m - 1: yours has one too many.": torch.stack(
                    [error(slice(m + 1)) for m in prefixes]
                ).mean(),
                "Divided by the number of latents: take the mean over `prefixes`.": each.sum() / 6,
            },
        )
        expect(isinstance(got, Tensor), "Return a tensor: an SAE will be trained with it.")
        slopes = torch.autograd.grad(got, (acts, W_dec), allow_unused=True, retain_graph=True)
        wanted = torch.autograd.grad(each.mean(), (acts, W_dec), retain_graph=True)
        expect(
            all(
                a is not None and torch.allclose(a, b, atol=1e-4)
                for a, b in zip(slopes, wanted, strict=True)
            ),
            "The value is right, but not its gradient: is a part of it detached?",
        )
    return "The first latents have to do without the others."
