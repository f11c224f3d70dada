"""Lesson 4.5: the library's version of each exercise, and plausible wrong answers."""

import torch

from utils.features.diffing import crosscoder_loss, decode, encode, latent_scaling

# ---- The activations ----------------------------------------------------------------------------


def _encoded(
    *,
    relu=True,
    bias=True,
    models=(0, 1),
    apart=False,
    mean=False,
    norms="sum",
    per="batch",
    give="f",
    use_k=True,
):
    def encode(coder, x, *, k=None):
        parts = [x[m] @ coder.W_enc[m] for m in models]
        b = coder.b_enc if bias else 0
        if apart:
            f = sum((part + b).relu() for part in parts)
        else:
            f = (torch.stack(parts).mean(0) if mean else sum(parts)) + b
            f = f.relu() if relu else f
        if k is None or not use_k:
            return f
        lengths = coder.W_dec.norm(dim=-1)
        weight = {"sum": lengths.sum(0), "none": 1.0, "one": lengths[1], "base": lengths[0]}[norms]
        size = f * weight
        if per == "token":
            cut = size.topk(max(1, int(k)), dim=1).values[:, -1:]
        else:
            n = int(k * len(f)) if per == "batch" else max(1, int(k))
            cut = size.flatten().topk(n).values[-1]
        keep = size >= cut
        return {"f": f * keep, "size": size * keep, "ones": keep & (f > 0)}[give]

    return encode


def _encoded_by_scatter(coder, x, *, k=None):
    """Both models as one long vector; places of the largest."""
    both = x.transpose(0, 1).flatten(1)
    f = torch.relu(both @ coder.W_enc.flatten(0, 1) + coder.b_enc)
    if k is None:
        return f
    size = (f * coder.W_dec.norm(dim=2).sum(dim=0)).reshape(-1)
    keep = torch.zeros_like(size)
    keep[size.topk(int(k * x.shape[1])).indices] = 1
    return f * keep.view_as(f)


def _encoded_by_loop(coder, x, *, k=None):
    """Token by token, a sorted list."""
    f = torch.stack(
        [(x[0, i] @ coder.W_enc[0] + x[1, i] @ coder.W_enc[1] + coder.b_enc).clamp(min=0)
         for i in range(x.shape[1])]
    )  # fmt: skip
    if k is not None:
        lengths = coder.W_dec[0].norm(dim=1) + coder.W_dec[1].norm(dim=1)
        sizes = sorted((f * lengths).flatten().tolist(), reverse=True)
        f = f.clone()
        f[f * lengths < sizes[int(k * x.shape[1]) - 1] - 1e-6] = 0
    return f


# ---- The loss -----------------------------------------------------------------------------------


def _loss(
    *,
    error=lambda e: e.square().sum(-1).sum(0).mean(),
    norms=lambda W: W.norm(dim=-1).sum(0),
    over=lambda s: s.sum(-1).mean(),
    times=1.0,
    use=True,
):
    def crosscoder_loss(coder, x, f, *, penalty):
        sparsity = over(f * norms(coder.W_dec))
        return times * (error(decode(coder, f) - x) + (penalty if use else 1) * sparsity)

    return crosscoder_loss


def _loss_by_models(coder, x, f, *, penalty):
    """Model by model, each with its own part of the penalty."""
    loss = 0
    for m in (0, 1):
        rebuilt = f @ coder.W_dec[m] + coder.b_dec[m]
        loss = loss + torch.nn.functional.mse_loss(rebuilt, x[m]) * x.shape[-1]
        loss = loss + penalty * (f @ coder.W_dec[m].square().sum(1).sqrt()).mean()
    return loss


def _loss_by_batch(coder, x, f, *, penalty):
    """Sums, divided at the end."""
    error = ((decode(coder, f) - x) ** 2).sum()
    sparsity = torch.einsum("bl,ml->", f, coder.W_dec.norm(dim=-1))
    return (error + penalty * sparsity) / len(f)


# ---- Latent scaling -----------------------------------------------------------------------------


def _scaled(*, own=True, row=lambda W, m: W[1], whole=False, turn=lambda b: b):
    def latent_scaling(coder, x, f):
        out = torch.empty(2, f.shape[1])
        rebuilt = decode(coder, f)
        for m in (0, 1):
            for j in range(f.shape[1]):
                z = torch.outer(f[:, j], row(coder.W_dec, m)[j])
                y = x[m] if whole else x[m] - rebuilt[m]
                if own and not whole:
                    y = y + torch.outer(f[:, j], coder.W_dec[m, j])
                out[m, j] = (y * z).sum() / z.square().sum()
        return turn(out)

    return latent_scaling


def _scaled_without_latent(coder, x, f):
    """The code with latent j set to 0, decoded anew, and lstsq."""
    out = torch.empty(2, f.shape[1])
    for j in range(f.shape[1]):
        others = f.clone()
        others[:, j] = 0
        left = x - decode(coder, others)
        z = (f[:, j, None] * coder.W_dec[1, j]).reshape(-1, 1)
        for m in (0, 1):
            out[m, j] = torch.linalg.lstsq(z, left[m].reshape(-1, 1)).solution.item()
    return out.masked_fill(~f.any(0), torch.nan)


def _scaled_at_once(coder, x, f):
    """Everything projected on the tuned rows first."""
    W = coder.W_dec[1]
    length = W.square().sum(-1)
    along = (x - decode(coder, f)) @ W.T / length
    own = (coder.W_dec * W).sum(-1) / length
    return (along * f).sum(1) / f.square().sum(0) + own


# ---- Features -----------------------------------------------------------------------------------


def _matched(
    *,
    model=lambda scale: int(scale[1] > 0),
    unit=True,
    active=lambda f: (f > 0).any(0),
    size=lambda cosine: cosine,
    use=True,
    turned=False,
):
    def matched_latents(coder, pair, f, *, least=0.9):
        found = {}
        for i, direction in enumerate(pair.directions):
            rows = coder.W_dec[model(pair.scale[:, i])]
            cosine = size((rows / rows.norm(dim=1, keepdim=True) if unit else rows) @ direction)
            cosine = cosine.masked_fill(~active(f), -9)
            if cosine.max() >= (least if use else 0.9):
                found[i] = cosine.argmax().item()
        return {j: i for i, j in found.items()} if turned else found

    return matched_latents


def _matched_at_once(coder, pair, f, *, least=0.9):
    """All cosines in one matrix, from normalised rows."""
    rows = torch.nn.functional.normalize(coder.W_dec, dim=-1)
    both = torch.einsum("mld,fd->mfl", rows, pair.directions)
    cosine = torch.where((pair.scale[1] > 0)[:, None], both[1], both[0])
    cosine[:, f.sum(0) == 0] = -1
    best, latent = cosine.max(1)
    return {i: int(latent[i]) for i in range(len(best)) if best[i] >= least}


def _matched_by_loop(coder, pair, f, *, least=0.9):
    """Latent by latent."""
    found = {}
    for i in range(len(pair.directions)):
        m = 1 if pair.scale[1, i] != 0 else 0
        best = least
        for j in range(f.shape[1]):
            if f[:, j].max() <= 0:
                continue
            c = torch.cosine_similarity(coder.W_dec[m, j], pair.directions[i], dim=0).item()
            if c >= best:
                best, found[i] = c, j
    return found


MISTAKES = {
    "encode": [
        ("no ReLU", _encoded(relu=False), "ReLU is missing"),
        ("no bias", _encoded(bias=False), "bias of the encoder"),
        ("one model", _encoded(models=(1,)), "Only one model"),
        ("base alone", _encoded(models=(0,)), "Only the base model"),
        ("apart", _encoded(apart=True), "add first"),
        ("mean", _encoded(mean=True), "averaged"),
        ("no k", _encoded(use_k=False), "`k` is not used"),
        ("no norms", _encoded(norms="none"), "weigh each"),
        ("one norm", _encoded(norms="one"), "one model's decoder norms"),
        ("base norm", _encoded(norms="base"), "base model's decoder norms"),
        ("each token", _encoded(per="token"), "of the whole batch"),
        ("k of all", _encoded(per="k"), "keep `k * batch`"),
        ("sizes", _encoded(give="size"), "not the size"),
        ("ones", _encoded(give="ones"), "no gradient"),
        ("detached", lambda coder, x, *, k=None: encode(coder, x, k=k).detach(), "no gradient"),
        (
            "b_dec first",
            lambda coder, x, *, k=None: encode(coder, x - coder.b_dec, k=k),
            "`b_dec` is subtracted",
        ),
    ],
    "crosscoder_loss": [
        (
            "detached",
            lambda *given, penalty: crosscoder_loss(*given, penalty=penalty).detach(),
            "no gradient",
        ),
        ("mean of all", _loss(error=lambda e: e.square().mean()), "over the dimensions"),
        ("mean of models", _loss(error=lambda e: e.square().sum(-1).mean()), "over the models"),
        ("sum of the batch", _loss(error=lambda e: e.square().sum()), "summed over the batch"),
        ("sums", _loss(error=lambda e: e.square().sum(), over=lambda s: s.sum()), "Both terms"),
        ("root", _loss(error=lambda e: e.norm(dim=-1).sum(0).mean()), "not squared"),
        ("one model", _loss(error=lambda e: e[1].square().sum(-1).mean()), "one model's error"),
        ("no norms", _loss(norms=lambda W: 1.0), "leaves the decoder norms out"),
        ("one norm", _loss(norms=lambda W: W[1].norm(dim=-1)), "one model's decoder norms"),
        ("as one", _loss(norms=lambda W: W.square().sum((0, 2)).sqrt()), "as one vector"),
        ("squared", _loss(norms=lambda W: W.square().sum((0, 2))), "squares the decoder norms"),
        ("mean of latents", _loss(over=torch.mean), "over latents"),
        ("no penalty", _loss(use=False), "`penalty` is not used"),
        (
            "a number for each token",
            _loss(error=lambda e: e.square().sum(-1).sum(0), over=lambda s: s.sum(-1)),
            "one number",
        ),
    ],
    "latent_scaling": [
        ("0 for the dead", lambda *given: latent_scaling(*given).nan_to_num(0), "gets NaN"),
        ("no own part", _scaled(own=False), "own part is missing"),
        ("own rows", _scaled(row=lambda W, m: W[m]), "tuned model's row for both"),
        ("whole", _scaled(whole=True), "what the other latents leave"),
        ("exchanged", _scaled(turn=lambda b: b.flip(0)), "exchanged"),
        ("ratio", _scaled(turn=lambda b: b[0] / b[1]), "return both"),
        ("transposed", _scaled(turn=lambda b: b.T), "transpose"),
    ],
    "matched_latents": [
        ("tuned alone", _matched(model=lambda s: 1), "base model alone has"),
        ("base alone", _matched(model=lambda s: 0), "the tuned model's rows"),
        ("no lengths", _matched(unit=False), "best cosine"),
        ("never active", _matched(active=lambda f: torch.ones(f.shape[1]).bool()), "never active"),
        ("often active", _matched(active=lambda f: (f > 0).float().mean(0) > 0.5), "few tokens"),
        ("no sign", _matched(size=torch.abs), "has a sign"),
        ("fixed least", _matched(use=False), "`least`"),
        ("turned", _matched(turned=True), "turned round"),
        ("pairs", lambda *a, **k: list(_matched()(*a, **k).items()), "Return a dictionary"),
    ],
    "n_exclusive": [
        ("all", {10}, "too many"),
        ("none", {0}, "too few"),
        ("words", "four", "Give one number"),
        ("two", {4, 6}, "Give one number"),
    ],
}

RIGHT = {
    "encode": [
        ("sums", _encoded()),
        ("places", _encoded_by_scatter),
        ("a loop", _encoded_by_loop),
    ],
    "crosscoder_loss": [
        ("a formula", _loss()),
        ("by models", _loss_by_models),
        ("by the batch", _loss_by_batch),
    ],
    "latent_scaling": [
        ("latent by latent", _scaled()),
        ("without the latent", _scaled_without_latent),
        ("at once", _scaled_at_once),
    ],
    "matched_latents": [
        ("feature by feature", _matched()),
        ("at once", _matched_at_once),
        ("by loop", _matched_by_loop),
    ],
    "n_exclusive": [("a whole number", 4), ("a list", [4.0]), ("a tensor", torch.tensor(4))],
}
