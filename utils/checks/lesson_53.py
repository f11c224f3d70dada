"""Checks of lesson 5.3, pointers."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described

HOOKS = (["blocks.2.hook_resid_pre", "blocks.0.hook_mlp_out"], ["blocks.1.hook_attn_out"])


def _tiny(seed: int) -> TransformerBridge:
    """Three layers, with weights large enough for every change to matter."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3,
            "n_heads": 2,
            "d_head": 6,
            "d_model": 12,
            "d_mlp": 16,
            "d_vocab": 50,
            "n_ctx": 20,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.6 * torch.randn(weight.shape, generator=random))
    return model.eval()


def _two(got, what: str) -> tuple:
    expect(
        isinstance(got, (tuple, list)) and len(got) == 2,
        f"Return two things, {what}, not {described(got)}.",
    )
    return tuple(got)


def _answers(got, right: Tensor, *, what: str, mistakes: dict[str, Tensor]) -> None:
    """Token ids: near ones are as wrong as far ones, so they are compared as they are."""
    expect(
        isinstance(got, Tensor) and not got.is_floating_point(),
        f"{what} are token ids, whole numbers in a tensor, not {described(got)}.",
    )
    match(got, right, what=what, mistakes=mistakes)


# ---- Counterfactual pairs -----------------------------------------------------------------------


@exercise("utils.cases.binding.exchange_places")
def check_exchange_places(exchange_places) -> str:
    """Stories of three and four pairs with another question in each row."""
    for seed, (batch, n) in enumerate(((5, 3), (7, 4))):
        random = torch.Generator().manual_seed(seed)
        words = torch.stack([torch.randperm(90, generator=random)[: 3 * n] for _ in range(batch)])
        names, drinks, fresh = words.split(n, dim=1)
        asked = torch.arange(batch) % n
        other = (asked + 1 + torch.arange(batch) % (n - 1)) % n
        rows = torch.arange(batch)
        swapped = names.clone()
        swapped[rows, asked], swapped[rows, other] = names[rows, other], names[rows, asked]
        right = torch.stack([drinks[rows, asked], drinks[rows, other], fresh[rows, other]])
        got, answers = _two(
            exchange_places(names, drinks, fresh, asked, other), "the names and the answers"
        )
        half = names.clone()
        half[rows, asked] = names[rows, other]
        lost = half.clone()
        lost[rows, other] = half[rows, asked]
        _answers(
            got,
            swapped,
            what="The names",
            mistakes={
                "The names stand as they did: exchange two of them in each row.": names,
                "One name stands at two places now, and the other is gone. The first assignment "
                "has overwritten what the second one reads: read from `names`.": lost,
                "Only one of the two places has a new name.": half,
                "All names are turned round: only two change places.": names.flip(1),
                "The same two columns are exchanged in every row: each row has its own `asked` "
                "and `other`.": _columns(names, int(asked[0]), int(other[0])),
            },
        )
        wrong = {
            "The answer by place is the *base's* drink at the place where the name stands in the "
            "source, which is `other`.": [right[0], fresh[rows, asked], right[2]],
            "The name stands at `other` in the source, and so that is where its drink is.": [
                *right[:2],
                fresh[rows, asked],
            ],
            "By name and by place are in the wrong order.": right[[1, 0, 2]],
            "By name, the answer is the drink of the name in question in the base.": [
                fresh[rows, asked],
                *right[1:],
            ],
            "By place, the answer has to differ from the answer by name: the name stands at "
            "`other` in the source.": [right[0], right[0], right[2]],
        }
        wrong = {k: torch.stack(v) if isinstance(v, list) else v for k, v in wrong.items()}
        wrong["The axes are [account, story]; yours are [story, account]."] = right.T
        _answers(answers, right, what="The answers", mistakes=wrong)
    return "Three accounts, three different answers to one exchange."


def _columns(names: Tensor, i: int, j: int) -> Tensor:
    swapped = names.clone()
    swapped[:, [i, j]] = names[:, [j, i]]
    return swapped


# ---- Interchange --------------------------------------------------------------------------------


@torch.no_grad()
def _said(model, base, source, name, at, source_at, *, place: int = -1) -> Tensor:
    rows = torch.arange(len(base))[:, None]
    _, cache = model.run_with_cache(source, names_filter=name)

    def put(x, hook):
        x = x.clone()
        x[rows, at] = cache[name][rows, source_at]
        return x

    return model.run_with_hooks(base, fwd_hooks=[(name, put)])[:, place].argmax(-1)


@exercise("utils.cases.binding.interchange")
def check_interchange(interchange) -> str:
    """Base and source of different lengths, one and two positions, another in each row."""
    for seed, hooks in enumerate(HOOKS):
        model, random = _tiny(seed), torch.Generator().manual_seed(seed)
        batch, moved = (40, 2) if seed == 0 else (31, 1)
        base = torch.randint(50, (batch, 7), generator=random)
        source = torch.randint(50, (batch, 9), generator=random)
        at = torch.stack([torch.randperm(6, generator=random)[:moved] for _ in range(batch)]) + 1
        there = torch.stack([torch.randperm(8, generator=random)[:moved] for _ in range(batch)])
        if seed == 1:
            at[:], there[::2] = 6, 8  # the last token, from here and there
        else:  # it matters most: here it is the second one, there the first
            at[::4, 0], at[::4, 1] = 3, 6
            at[2::4, 0], at[2::4, 1] = 6, 2

        def each(base=base, source=source, at=at, there=there, model=model, hooks=hooks, place=-1):
            return torch.stack(
                [_said(model, base, source, name, at, there, place=place) for name in hooks]
            )

        right = each()
        got = interchange(model, base, source, hooks, at=at, source_at=there)
        with torch.no_grad():
            plain, theirs = (model(some)[:, -1].argmax(-1) for some in (base, source))
        mistakes = {
            "Nothing was exchanged: this is what the base gives by itself. Does your hook return "
            "the changed activation?": plain.expand_as(right),
            "These are the answers to the source: run the *base*, with activations of the "
            "source.": theirs.expand_as(right),
            "Activations were taken from positions `at` of the source, and not from "
            "`source_at`.": each(there=at),
            "Activations were put at positions `source_at` of the base, and not at `at`.": each(
                at=there.clamp(max=6)
            ),
            "The positions of the first row were used in all rows: `resid[rows, at]` with "
            "`rows = torch.arange(len(base))[:, None]` takes those of each row.": each(
                at=at[:1].expand_as(at), there=there[:1].expand_as(there)
            ),
            "All hooks give what the last one gives. A hook made in a loop sees the loop's *last* "
            "name, unless it takes it as a default argument.": right[-1:].expand_as(right),
            "The axes are [hook, story]; yours are [story, hook].": right.T,
            "You read the answer at the first position, and not at the last one.": each(place=0),
        }
        if moved > 1:
            mistakes["Only the first of the moved positions was exchanged."] = each(
                at=at[:, :1], there=there[:, :1]
            )
            mistakes["Only the last of the moved positions was exchanged."] = each(
                at=at[:, -1:], there=there[:, -1:]
            )
        if len(hooks) > 1:
            mistakes[
                "The hooks work together: exchange at one hook at a time, each in its own run."
            ] = _together(model, base, source, hooks, at, there).expand_as(right)
        _answers(got, right, what="The answers", mistakes=mistakes)
    return "One hook at a time, each row at its own positions."


@torch.no_grad()
def _together(model, base, source, hooks, at, there) -> Tensor:
    rows = torch.arange(len(base))[:, None]
    _, cache = model.run_with_cache(source, names_filter=list(hooks))

    def put(name):
        def hook_function(x, hook):
            x = x.clone()
            x[rows, at] = cache[name][rows, there]
            return x

        return name, hook_function

    return model.run_with_hooks(base, fwd_hooks=[put(h) for h in hooks])[:, -1].argmax(-1)


# ---- Binding vectors ----------------------------------------------------------------------------


@exercise("utils.cases.binding.place_means")
def check_place_means(place_means) -> str:
    """Positions that differ from story to story, of two and of three places."""
    for seed, (n, name) in enumerate(
        ((2, "blocks.1.hook_resid_pre"), (3, "blocks.2.hook_mlp_out"))
    ):
        model, random = _tiny(seed), torch.Generator().manual_seed(seed)
        tokens = torch.randint(50, (6 + seed, 8), generator=random)
        at = torch.stack([torch.randperm(8, generator=random)[:n] for _ in range(len(tokens))])
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=[name, "blocks.0.hook_resid_pre"])
        rows = torch.arange(len(tokens))[:, None]
        states = cache[name][rows, at]
        match(
            place_means(model, tokens, at, name),
            states.mean(0),
            what="The means",
            mistakes={
                "The positions of the first story were used for all: they differ from row to "
                "row.": cache[name][:, at[0]].mean(0),
                "Each row of `at` was used in every story: pair row i of `at` with story i, as in "
                "`x[rows, at]` with `rows = torch.arange(len(tokens))[:, None]`.": cache[name][
                    :, at
                ].mean((0, 1)),
                "That is the mean over places: average over stories.": states.mean(1),
                "These are sums over the stories: take the mean.": states.sum(0),
                "The axes are [place, d_model]; yours are turned.": states.mean(0).T,
                "That is one mean for all places: keep the places apart.": states.mean((0, 1)),
                "These are the activations of each story: average over the stories.": states,
                "This is another activation: `name` says which.": cache["blocks.0.hook_resid_pre"][
                    rows, at
                ].mean(0),
            },
        )
    return "One mean for each place, over stories in which it stands elsewhere."


@exercise("utils.cases.binding.exchange_ids")
def check_exchange_ids(exchange_ids) -> str:
    """The hook is called on a planted activation, with places in and out of order."""
    for seed, places in enumerate((None, (2, 1))):
        random = torch.Generator().manual_seed(seed)
        means = torch.randn(3, 5, generator=random)
        resid = torch.randn(4 + seed, 7, 5, generator=random)
        at = torch.stack([torch.randperm(7, generator=random)[:3] for _ in range(len(resid))])
        name = f"blocks.{seed}.hook_resid_pre"
        got = exchange_ids(means, at, name, **({"places": places} if places else {}))
        expect(
            isinstance(got, (tuple, list)) and len(got) == 2 and isinstance(got[1], Callable),
            f"Return a pair (name, hook), not {described(got)}.",
        )
        expect(got[0] == name, f"The pair's first entry is the hook's name, {name!r}.")
        first, second = places or (0, 1)
        rows = torch.arange(len(resid))

        def moved(
            up=1.0,
            down=1.0,
            of=means[second] - means[first],
            at=at,
            resid=resid,
            rows=rows,
            first=first,
            second=second,
        ):
            new = resid.clone()
            new[rows, at[:, first]] += up * of
            new[rows, at[:, second]] -= down * of
            return new

        whole = resid.clone()
        whole[rows, at[:, first]], whole[rows, at[:, second]] = (
            resid[rows, at[:, second]],
            resid[rows, at[:, first]],
        )
        put = resid.clone()
        put[rows, at[:, first]], put[rows, at[:, second]] = means[second], means[first]
        before = resid.clone()
        after = got[1](resid, None)
        expect(
            torch.equal(resid, before),
            "Your hook changes the activation that it is given: work on `resid.clone()`.",
        )
        expect(after is not None, "The hook gives nothing back: return the new activation.")
        everywhere = resid + (means[second] - means[first])
        match(
            after,
            moved(),
            what="The activation after the hook",
            mistakes={
                "Nothing has changed.": resid,
                "The sign is turned round: the first place gets what leads *to* the second, "
                "`means[second] - means[first]`.": moved(of=means[first] - means[second]),
                "Only the first place was changed: the second one gets the opposite.": moved(
                    down=0.0
                ),
                "Only the second place was changed.": moved(up=0.0),
                "Both places got the same added: at the second it is subtracted.": moved(down=-1.0),
                "Whole activations were exchanged, and so the words with them: add and subtract "
                "the difference of the means.": whole,
                "The activations became the means, and the words are gone: add the difference.": (
                    put
                ),
                "The positions of the first story were used for all stories.": moved(
                    at=at[:1].expand_as(at)
                ),
                "Every position was changed.": everywhere,
                "You exchange places 0 and 1, whatever `places` says.": moved(
                    of=means[1] - means[0], first=0, second=1
                ),
            },
        )
    return "The word stays, and the binding vector moves."


# ---- Subspaces ----------------------------------------------------------------------------------


@exercise("utils.cases.binding.subspace_interchange")
def check_subspace_interchange(subspace_interchange) -> str:
    """Random subspaces of several ranks, and the whole space, in a random network."""
    for seed, ranks in enumerate(((1, 12, 4), (2, 6))):
        model, random = _tiny(seed), torch.Generator().manual_seed(seed)
        base, source = (torch.randint(50, (40 + seed, 6), generator=random) for _ in "bs")
        name = ("blocks.1.hook_resid_pre", "blocks.2.hook_attn_out")[seed]
        bases = [torch.linalg.qr(torch.randn(12, rank, generator=random)).Q for rank in ranks]
        with torch.no_grad():
            _, theirs = model.run_with_cache(source, names_filter=name)
            plain, other = (model(some)[:, -1].argmax(-1) for some in (base, source))

        @torch.no_grad()
        def each(
            change,
            *,
            at=slice(-1, None),
            model=model,
            base=base,
            name=name,
            bases=bases,
            theirs=theirs,
        ):
            said = []
            for basis in bases:

                def put(x, hook, basis=basis):
                    x = x.clone()
                    x[:, at] = change(x[:, at], theirs[name][:, at], basis @ basis.T)
                    return x

                said.append(model.run_with_hooks(base, fwd_hooks=[(name, put)])[:, -1].argmax(-1))
            return torch.stack(said)

        right = each(lambda b, s, p: b + (s - b) @ p)
        _answers(
            subspace_interchange(model, base, source, bases, name=name),
            right,
            what="The answers",
            mistakes={
                "Nothing was exchanged: these are the answers to the base.": plain.expand_as(right),
                "These are the answers to the source.": other.expand_as(right),
                "The whole activation was exchanged, whatever the basis.": each(lambda b, s, p: s),
                "The other part was exchanged: the part in the subspace is the source's, and the "
                "rest stays the base's.": each(lambda b, s, p: s + (b - s) @ p),
                "The source's part was added, and the base's own part in the subspace has not "
                "been taken out.": each(lambda b, s, p: b + s @ p),
                "The rest is gone: keep what the base has outside of the subspace.": each(
                    lambda b, s, p: s @ p
                ),
                "The base's part was taken out, and the source's not put in.": each(
                    lambda b, s, p: b - b @ p
                ),
                "The sign is turned round: source less base, and not base less source.": each(
                    lambda b, s, p: b - (s - b) @ p
                ),
                "All positions were changed: the last token alone.": each(
                    lambda b, s, p: b + (s - b) @ p, at=slice(None)
                ),
                "All bases give what the last one gives: a hook made in a loop sees the loop's "
                "*last* basis, unless it takes it as a default argument.": right[-1:].expand_as(
                    right
                ),
                "The axes are [basis, story]; yours are [story, basis].": right.T,
            },
        )
    return "The subspace is the source's, the rest is the base's."


# ---- Investigation ------------------------------------------------------------------------------


@investigation("followers", course={(3, 1), (3, 2)})
def check_followers(followers) -> str:
    """Two heads, each (layer, head)."""
    got = {tuple(int(part) for part in head) for head in followers}
    expect(
        len(got) == 2 == len(list(followers)) and all(len(head) == 2 for head in got),
        "Name two different heads, each as (layer, head), such as {(0, 1), (3, 2)}.",
    )
    expect(
        all(0 <= part < 4 for head in got for part in head),
        "The toy has layers 0 to 3 and heads 0 to 3.",
    )
    expect(
        all(layer == 3 for layer, _ in got),
        "The drink is not at the last token before block 3: look among the heads of that block.",
    )
    right = {(3, 1), (3, 2)}
    expect(
        got == right or not right & got,
        "One of them is right. Which other head makes the share of `carry` large with it?",
    )
    expect(got == right, "These two bring next to nothing: try other pairs with `carry`.")
    return "Two heads look at the place that the pointer names, and either does part of the work."
