"""Checks of lesson 4.5, model diffing."""

from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described


class Crosscoder(NamedTuple):
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor


class _Pair(NamedTuple):
    directions: Tensor
    scale: Tensor


def _coder(seed: int, *, d: int, n: int) -> Crosscoder:
    """Random weights; decoder rows of quite different lengths."""
    random = torch.Generator().manual_seed(seed)

    def drawn(*size: int) -> Tensor:
        return torch.randn(*size, generator=random)

    lengths = 0.2 + 2 * torch.rand(2, n, 1, generator=random)
    made = drawn(2, d, n), drawn(n), drawn(2, n, d) * lengths, drawn(2, 1, d)
    return Crosscoder(*(weight.requires_grad_() for weight in made))  # `train` takes gradients


def _setting(seed: int) -> tuple[Crosscoder, Tensor, Tensor]:
    """A crosscoder, activations [2, batch, d], and latents [batch, n] of which many are 0."""
    d, n, batch = [(5, 7, 12), (4, 9, 10)][seed]
    coder = _coder(seed, d=d, n=n)
    random = torch.Generator().manual_seed(100 + seed)
    x = torch.randn(2, batch, d, generator=random)
    f = torch.randn(batch, n, generator=random).relu()
    return coder, x, f


def _without_gradient(coder: Crosscoder) -> Crosscoder:
    return Crosscoder(*(weight.detach() for weight in coder))


def _lengths(coder: Crosscoder) -> Tensor:
    return coder.W_dec.square().sum(-1).sqrt()


# ---- The crosscoder -----------------------------------------------------------------------------


@exercise("utils.features.diffing.encode")
def check_encode(encode) -> str:
    """Two crosscoders, without k and with it, a whole number and not."""
    for seed in (0, 1):
        coder, x, _ = _setting(seed)
        a, b = x[0] @ coder.W_enc[0], x[1] @ coder.W_enc[1]
        before = a + b + coder.b_enc
        f = before.clamp(min=0)
        got = encode(coder, x)
        match(
            got,
            f,
            what="The activations without `k`",
            mistakes={
                "The ReLU is missing: no activation is below 0.": before,
                "The bias of the encoder is missing.": (a + b).clamp(min=0),
                "`b_dec` is subtracted first: these crosscoders read x as it is.": (
                    torch.einsum("mbd,mdl->bl", x - coder.b_dec, coder.W_enc) + coder.b_enc
                ).clamp(min=0),
                "Only one model is read: add both models' parts.": torch.stack(
                    [(part + coder.b_enc).clamp(min=0) for part in (a, b)]
                )[1],
                "Only the base model is read: add both models' parts.": (a + coder.b_enc).clamp(
                    min=0
                ),
                "Each model goes through the ReLU alone: there is one activation for both, so add "
                "first.": (a + coder.b_enc).clamp(min=0) + (b + coder.b_enc).clamp(min=0),
                "The two models' parts are averaged: add them.": ((a + b) / 2 + coder.b_enc).clamp(
                    min=0
                ),
            },
        )
        for k in (2, 1.4):
            n = int(k * len(x[0]))
            lengths = _lengths(coder)

            def kept(size, n=n, f=f):
                return torch.where(size >= size.flatten().sort(descending=True).values[n - 1], f, 0)

            size = f * lengths.sum(0)
            each = size >= size.sort(dim=1, descending=True).values[:, [max(1, int(k)) - 1]]
            right = kept(size)
            match(
                encode(coder, x, k=k),
                right,
                what=f"The activations for k = {k}",
                mistakes={
                    "`k` is not used: only the largest sizes of the batch stay.": f,
                    "The threshold looks at the activations alone: weigh each by the sum of its "
                    "two decoder norms.": kept(f),
                    "The threshold uses one model's decoder norms: take the sum of both.": kept(
                        f * lengths[1]
                    ),
                    "The threshold uses the base model's decoder norms alone: take the sum of "
                    "both.": kept(f * lengths[0]),
                    "That keeps k of each token. BatchTopK keeps `k * batch` of the whole "
                    "batch.": torch.where(each, f, 0),
                    "That keeps k activations of the whole batch: keep `k * batch`.": kept(
                        size, n=max(1, int(k))
                    ),
                    "The size decides which activations stay, and the activation itself is "
                    "returned: not the size.": right * lengths.sum(0),
                    "Those that are kept are set to 1: return their activations.": (
                        right > 0
                    ).float(),
                },
            )
    return "One activation for both models, and the largest of the batch for BatchTopK."


@exercise("utils.features.diffing.crosscoder_loss")
def check_crosscoder_loss(crosscoder_loss) -> str:
    """Two crosscoders, with a penalty and without."""
    for seed in (0, 1):
        coder, x, f = _setting(seed)
        rebuilt = torch.stack([f @ coder.W_dec[m] + coder.b_dec[m] for m in (0, 1)])
        squares = (rebuilt - x).square()
        lengths = _lengths(coder)
        error = squares.sum((0, 2)).mean()
        together = coder.W_dec.square().sum((0, 2)).sqrt()
        for penalty in (0.3, 0.0):
            weighed = penalty * (f @ lengths.sum(0)).mean()
            got = crosscoder_loss(coder, x, f, penalty=penalty)
            expect(
                isinstance(got, Tensor) and got.ndim == 0,
                f"The loss is one number, a tensor without axes, and yours is {described(got)}.",
            )
            match(
                got,
                error + weighed,
                what=f"The loss for a penalty of {penalty}",
                mistakes={
                    "The errors are averaged over the dimensions or the models: sum over both, and "
                    "take the mean over the batch.": squares.mean() + weighed,
                    "The errors are averaged over the models: sum them.": error / 2 + weighed,
                    "The errors are summed over the batch: take the mean.": error * len(f)
                    + weighed,
                    "Both terms are summed over the batch: take the mean.": (error + weighed)
                    * len(f),
                    "The error is not squared, or its root is taken.": squares.sum(-1)
                    .sqrt()
                    .sum(0)
                    .mean()
                    + weighed,
                    "Only one model's error counts: add that of the other.": squares[1]
                    .sum(-1)
                    .mean()
                    + weighed,
                    "The penalty leaves the decoder norms out: an activation could shrink while "
                    "its row grows.": error + penalty * f.sum(1).mean(),
                    "The penalty takes one model's decoder norms: take the sum of both.": error
                    + penalty * (f @ lengths[1]).mean(),
                    "The penalty takes the norm of both rows as one vector: take the sum of the "
                    "two norms. (As one vector it would not push latents to be exclusive.)": error
                    + penalty * (f @ together).mean(),
                    "The penalty squares the decoder norms.": error
                    + penalty * (f @ lengths.square().sum(0)).mean(),
                    "The penalty is averaged over latents: sum over them.": error
                    + weighed / f.shape[1],
                    "`penalty` is not used.": error + (f @ lengths.sum(0)).mean(),
                },
            )
    return "Both models' errors, and a penalty that no latent can escape."


# ---- Features -----------------------------------------------------------------------------------


@exercise("utils.features.diffing.matched_latents")
def check_matched_latents(matched_latents) -> str:
    """Rows near features in one model or the other, one of them never active, one turned round."""
    for seed, least in enumerate((0.9, 0.7)):
        d, random = 8, torch.Generator().manual_seed(200 + seed)
        directions = torch.linalg.qr(torch.randn(d, d, generator=random))[0][:6]
        scale = torch.tensor([[0.2, 1, 1, 0, 1, 1], [1, 1, 0, 1, 1, 1]])
        near = torch.tensor([0.99, 0.95, 0.99, 0.97, 0.8, -0.99])  # cosines, in the right model
        other = torch.tensor([0.1, 0.3, 0.2, 0.1, 0.95, 0.2])  # and in the other
        order = torch.randperm(7, generator=random)
        rest = torch.linalg.qr(torch.cat([directions, torch.randn(2, d, generator=random)]).T)[0].T[
            6
        ]

        def rows(cosine, directions=directions, rest=rest):
            return cosine[:, None] * directions + (1 - cosine**2).sqrt()[:, None] * rest

        in_tuned = (scale[1] > 0)[:, None]
        W_dec = torch.stack(
            [
                torch.where(in_tuned, rows(other), rows(near)),
                torch.where(in_tuned, rows(near), rows(other)),
            ]
        )
        W_dec = torch.cat([W_dec, W_dec[:, 1:2].clone()], 1)  # latent 6: like latent 1, and exact,
        W_dec[:, 6] = directions[1]  # but never active
        W_dec = W_dec * (0.3 + 2 * torch.rand(2, 7, 1, generator=random))
        f = 0.1 + torch.rand(9, 7, generator=random)
        f[2:, 3], f[:, 6] = 0, 0  # latent 3 is active at two tokens alone
        coder = Crosscoder(
            torch.zeros(2, d, 7), torch.zeros(7), W_dec[:, order], torch.zeros(2, 1, d)
        )
        pair, where = _Pair(directions, scale), order.argsort().tolist()
        right = {i: where[i] for i in (0, 1, 2, 3)}
        if least < 0.8:
            right[4] = where[4]
        got = matched_latents(coder, pair, f[:, order], least=least)
        expect(isinstance(got, dict), f"Return a dictionary, and not {described(got)}.")
        found = {int(i): int(j) for i, j in got.items()}
        if found == right:
            continue
        expect(
            set(found) != set(right.values()) or set(found.values()) != set(right),
            "That is turned round: from a feature to its latent.",
        )
        expect(
            found.get(1) != where[6], "A latent that is never active is matched: leave these out."
        )
        expect(2 in found, "A feature is missing that the base model alone has: look at the base "
               "model's rows for those whose scale in the tuned model is 0.")  # fmt: skip
        expect(
            set(right) - set(found) != {3},
            "A latent that is active at few tokens is missing: one token is enough.",
        )
        expect(5 not in found, "A row that points the other way is matched: the cosine has a sign.")
        expect(
            4 not in found or least < 0.8,
            f"A feature is matched whose best latent has a cosine below `least`, {least}. Do you "
            "look at the tuned model's rows, and divide by their lengths?",
        )
        expect(
            set(found) == set(right),
            f"The features {sorted(right)} have a latent, and you found {sorted(found)}: for each, "
            "the best cosine has to be at least `least`.",
        )
        expect(False, "A feature has another latent than the one most like it.")
    return "Each feature and the latent that stands for it."


# ---- Latent scaling -----------------------------------------------------------------------------


@exercise("utils.features.diffing.latent_scaling")
def check_latent_scaling(latent_scaling) -> str:
    """Latent by latent, by a fit of what the others leave."""
    for seed in (0, 1):
        coder, x, f = _setting(seed)
        coder = _without_gradient(coder)
        f[:, -1] *= 1 - seed  # the second time the last latent is never active
        rebuilt = torch.stack([f @ coder.W_dec[m] + coder.b_dec[m] for m in (0, 1)])

        def fitted(
            *, own=True, along="tuned", whole=False, x=x, f=f, coder=coder, rebuilt=rebuilt
        ) -> Tensor:
            out = torch.zeros(2, f.shape[1])
            for m in (0, 1):
                for j in range(f.shape[1]):
                    y = x[m] if whole else x[m] - rebuilt[m]
                    if own and not whole:
                        y = y + f[:, j, None] * coder.W_dec[m, j]
                    z = f[:, j, None] * coder.W_dec[1 if along == "tuned" else m, j]
                    out[m, j] = (y * z).sum() / (z * z).sum()
            return out

        right = fitted()
        got = latent_scaling(coder, x, f)
        if seed:  # the last latent is never active, which `match` cannot compare
            expect(
                isinstance(got, Tensor)
                and got.shape == right.shape
                and bool(got[:, -1].isnan().all()),
                "A latent that is never active gets NaN, 0 over 0.",
            )
            got, right = got[:, :-1], right[:, :-1]
        match(
            got,
            right,
            what="The scaling",
            mistakes={
                "The latent's own part is missing: the error is what *all* latents leave, so add "
                "latent j's back.": fitted(own=False),
                "Each model is fitted by its own decoder row. Take the tuned model's row for both: "
                "is the tuned model's direction in the base model?": fitted(along="own"),
                "You fit the whole activations: take what the other latents leave.": fitted(
                    whole=True
                ),
                "The rows are exchanged: the base model comes first.": right.flip(0),
                "That is base over tuned: return both, a row for each model.": right[0] / right[1],
                "That is the transpose: a row for each model.": right.T,
            },
        )
    return "What each model has of a latent, asked of its activations."


# ---- Answers ------------------------------------------------------------------------------------

_N_EXCLUSIVE = 4


@investigation("n_exclusive", course={_N_EXCLUSIVE})
def check_n_exclusive(n_exclusive) -> str:
    """One whole number."""
    if isinstance(n_exclusive, (set, list, tuple)) and len(n_exclusive) == 1:
        (n_exclusive,) = n_exclusive
    if isinstance(n_exclusive, Tensor) and n_exclusive.numel() == 1:
        n_exclusive = n_exclusive.item()
    expect(
        isinstance(n_exclusive, Real),
        f"Give one number, such as 5, and not {described(n_exclusive)}.",
    )
    expect(
        n_exclusive <= _N_EXCLUSIVE,
        "That is too many: some of these are in the base model, only weak. Ask `latent_scaling`, "
        "and look for the gap.",
    )
    expect(
        n_exclusive >= _N_EXCLUSIVE,
        "That is too few: latents whose scaling is 0 but for the noise count.",
    )
    return "The others are in the base model, most of them weak, and the penalty took their rows."
