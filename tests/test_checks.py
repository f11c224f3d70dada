"""The answer key: solutions and the library's versions pass, and mistakes are named."""

import importlib

import jupytext
import pytest
import torch

from utils import heads, progress, residual, tokens
from utils.checks import CORRECT, NOT_ATTEMPTED, WRONG, Unsolved, Wrong, claim, match
from utils.course import LESSONS, ROOT, SOLUTIONS

LIBRARY = {
    "answer_token": tokens.answer_token,
    "residual_parts": residual.residual_parts,
    "cache_bytes": residual.cache_bytes,
    "logit_lens": residual.logit_lens,
    "token_probabilities": residual.token_probabilities,
    "repeated_tokens": tokens.repeated_tokens,
    "loss_by_half": tokens.loss_by_half,
    "previous_token_scores": heads.previous_token_scores,
    "induction_scores": heads.induction_scores,
    "mean_ablate": heads.mean_ablate,
    "copying_score": heads.copying_score,
    "k_composition": heads.k_composition,
}


def checks() -> dict:
    """Exercise -> its check, over all lessons."""
    found = {}
    for lesson in progress.EXERCISES:
        module = importlib.import_module(f"utils.checks.lesson_{lesson}")
        for value in vars(module).values():
            if hasattr(value, "exercise") and hasattr(value, "verdict"):
                found[value.exercise] = value
    return found


def solutions() -> dict:
    """Exercise -> the solution that stands in the lesson's source."""
    found = {}
    for lesson in LESSONS:
        if lesson.is_written:
            for cell in jupytext.read(ROOT / SOLUTIONS / f"{lesson.stem}.py").cells:
                if "### BEGIN SOLUTION" in cell.source:
                    scope = {"torch": torch}
                    exec(cell.source, scope)
                    found |= {k: v for k, v in scope.items() if k in LIBRARY}
    return found


# --- Plausible wrong answers: exercise -> [(the mistake, the function, part of the message)] ---


def _answer(prompt, bos, several):
    def answer_token(model, word):
        ids = model.to_tokens(prompt.format(word), prepend_bos=bos)[0]
        return several(ids)

    return answer_token


def _single(ids):
    return int(ids[0]) if len(ids) == 1 else None


def _drop_embedding(cache, n_layers):
    return residual.residual_parts(cache, n_layers)[1:]


def _named(names):
    def residual_parts(cache, n_layers):
        return torch.stack([cache[name] for name in names(n_layers)])

    return residual_parts


def _layers(n_layers, *kinds):
    return [f"blocks.{layer}.{kind}" for layer in range(n_layers) for kind in kinds]


ATTN, MLP = "hook_attn_out", "hook_mlp_out"


def _repeat(change=None, **other):
    def repeated_tokens(seq_len, **settings):
        settings |= {k: v(settings) if callable(v) else v for k, v in other.items()}
        made = tokens.repeated_tokens(seq_len, **settings)
        return change(made) if change else made

    return repeated_tokens


def _repeat_anew(seq_len, *, batch, d_vocab, bos, n_special, generator):
    def half():
        return torch.randint(n_special, d_vocab, (batch, seq_len), generator=generator)

    return torch.cat([torch.full((batch, 1), bos), half(), half()], dim=1)


def _repeat_without_generator(seq_len, *, batch, d_vocab, bos, n_special, generator):
    half = torch.randint(n_special, d_vocab, (batch, seq_len))
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)


def _losses(cut, score=lambda loss: loss.mean().item(), shift=1):
    def loss_by_half(logits, tokens):
        L = (tokens.shape[1] - 1) // 2
        log_probs = (logits[:, :-1] if shift else logits).log_softmax(-1)
        loss = -log_probs.gather(-1, tokens[:, shift:, None])[..., 0]
        first, second = cut(loss, L)
        return score(first), score(second)

    return loss_by_half


def _right_cut(loss, L):
    return loss[:, :L], loss[:, L + 1 :]


def _stripe(offset, reduce=lambda stripe: stripe.mean(-1).mean(0)):
    def scores(pattern, seq_len=None):
        at = offset(seq_len) if seq_len else offset
        return reduce(pattern.diagonal(at, dim1=-2, dim2=-1))

    return scores


def _ablate(change):
    def mean_ablate(z, heads):
        z = z.clone()
        change(z, list(heads))
        return z

    return mean_ablate


def _ablate_in_place(z, heads):
    z[:, :, heads] = z[:, :, heads].mean((0, 1), keepdim=True)
    return z


def _put(where, value):
    def change(z, chosen):
        z[where(chosen)] = value(z, chosen)

    return change


def _of_heads(chosen):
    return (slice(None), slice(None), chosen)


def _copy(score):
    def copying_score(W_E, W_V, W_O, W_U):
        return score(W_E, W_V, W_O, W_U)

    return copying_score


def _compose(product, norms=None):
    def k_composition(W_OV, W_QK):
        norm = torch.linalg.matrix_norm
        below = norms(W_OV, W_QK) if norms else norm(W_OV) * norm(W_QK)
        return norm(product(W_OV, W_QK)) / below

    return k_composition


MISTAKES = {
    "answer_token": [
        ("no space", _answer("{}", False, _single), "leading space"),
        ("BOS counted", _answer(" {}", True, _single), "BOS"),
        ("BOS returned", _answer(" {}", True, lambda ids: int(ids[0])), "id of BOS"),
        ("first piece", _answer(" {}", False, lambda ids: int(ids[0])), "exactly one"),
        ("two spaces", _answer("  {}", False, _single), "exactly one space"),
        ("a tensor", _answer(" {}", False, lambda t: t[0] if len(t) == 1 else None), "plain int"),
    ],
    "residual_parts": [
        ("no embedding", _drop_embedding, "embedding is missing"),
        ("no MLPs", _named(lambda n: ["hook_embed", *_layers(n, ATTN)]), "MLPs are missing"),
        (
            "last layer missing",
            _named(lambda n: ["hook_embed", *_layers(n - 1, ATTN, MLP)]),
            "last layer is missing",
        ),
        (
            "one layer too many",
            _named(lambda n: ["hook_embed", *_layers(n + 1, ATTN, MLP)]),
            "One layer too many",
        ),
        (
            "MLP before attention",
            _named(lambda n: ["hook_embed", *_layers(n, MLP, ATTN)]),
            "attention comes before",
        ),
        (
            "running sums",
            _named(lambda n: ["hook_embed", *_layers(n, "hook_resid_post")]),
            "running sum itself",
        ),
        ("the sum", lambda c, n: residual.residual_parts(c, n).sum(0), "That is the sum"),
        ("a list", lambda c, n: list(residual.residual_parts(c, n)), "torch.stack"),
    ],
    "cache_bytes": [
        (
            "aliases counted",
            lambda c: sum(t.numel() * t.element_size() for t in c.values()),
            "more than once",
        ),
        ("elements", lambda c: sum(t.numel() for t in c.values()), "number of elements"),
        ("four bytes each", lambda c: sum(4 * t.numel() for t in c.values()), "4 bytes"),
        (
            "address of the tensor",
            lambda c: sum(
                {t.data_ptr(): t.untyped_storage().nbytes() for t in c.values()}.values()
            ),
            "another `data_ptr()`",
        ),
        (
            "size of the last tensor at an address",
            lambda c: sum(
                t.numel() * t.element_size() for t in {t.data_ptr(): t for t in c.values()}.values()
            ),
            "stands in for its whole storage",
        ),
        ("megabytes", lambda c: residual.cache_bytes(c) / 1e6, "return bytes"),
    ],
    "logit_lens": [
        ("no norm", lambda r, ln, W_U: r @ W_U, "norm is missing"),
        ("probabilities", lambda r, ln, W_U: (ln(r) @ W_U).softmax(-1), "no softmax"),
        ("norm last", lambda r, ln, W_U: ln(r @ W_U), "before the unembedding"),
        ("transposed", lambda r, ln, W_U: ln(r) @ W_U.T, "transposed"),
        ("last position", lambda r, ln, W_U: ln(r[:, -1]) @ W_U, "keep all leading axes"),
    ],
    "token_probabilities": [
        ("multiplied", lambda x, t: (x * t).softmax(-1), "multiplied"),
        ("ignored", lambda x, t: x.softmax(-1), "not used"),
        ("wrong axis", lambda x, t: (x / t).softmax(0), "wrong axis"),
        ("after the softmax", lambda x, t: x.softmax(-1) / t, "before the softmax"),
        ("zero not treated", lambda x, t: (x / t).softmax(-1), "divide by zero"),
        (
            "position at zero",
            lambda x, t: (x / t).softmax(-1) if t else x.argmax(-1),
            "position of the largest",
        ),
    ],
    "repeated_tokens": [
        ("no BOS", _repeat(lambda t: t[:, 1:]), "BOS is missing"),
        (
            "doubled in place",
            _repeat(lambda t: torch.cat([t[:, :1], t[:, 1:7].repeat_interleave(2, 1)], 1)),
            "doubled in place",
        ),
        ("drawn anew", _repeat_anew, "draw once"),
        ("one row for all", _repeat(lambda t: t[:1].expand(3, -1)), "same sequence"),
        ("special tokens", _repeat(n_special=0), "Special tokens"),
        ("beyond the vocabulary", _repeat(d_vocab=lambda s: s["d_vocab"] + 20), "outside"),
        ("one id short", _repeat(d_vocab=lambda s: s["d_vocab"] - 1), "only part of the vocab"),
        ("no generator", _repeat_without_generator, "same seed"),
        ("one half", _repeat(lambda t: t[:, :7]), "second half is missing"),
        ("floats", _repeat(lambda t: t.float()), "floats"),
    ],
    "loss_by_half": [
        (
            "no shift",
            _losses(lambda loss, L: (loss[:, 1 : L + 1], loss[:, L + 1 :]), shift=0),
            "Off by one",
        ),
        (
            "no shift, other cut",
            _losses(lambda loss, L: (loss[:, :L], loss[:, L:]), shift=0),
            "Off by one",
        ),
        (
            "first of the repeat counted",
            _losses(lambda loss, L: (loss[:, :L], loss[:, L:])),
            "leave it out",
        ),
        ("swapped", _losses(lambda loss, L: _right_cut(loss, L)[::-1]), "swapped"),
        ("sign", _losses(_right_cut, lambda loss: -loss.mean().item()), "sign"),
        ("sums", _losses(_right_cut, lambda loss: loss.sum(1).mean().item()), "sum"),
        ("one number", lambda logits, tokens: 1.0, "two numbers"),
    ],
    "previous_token_scores": [
        ("same position", _stripe(0), "same* position"),
        ("transposed", _stripe(1), "swapped"),
        ("two back", _stripe(-2), "Off by one"),
        (
            "divided by all positions",
            _stripe(-1, lambda s: (s.sum(-1) / (s.shape[-1] + 1)).mean(0)),
            "first has no previous",
        ),
        ("batch kept", _stripe(-1, lambda s: s.mean(-1)), "average over the batch"),
        ("heads averaged", _stripe(-1, lambda s: s.mean(-1).mean(1)), "keep the heads"),
    ],
    "induction_scores": [
        ("the earlier copy", _stripe(lambda L: -L), "Did you shift by one?"),
        ("before the earlier copy", _stripe(lambda L: -L - 1), "*before*"),
        ("two after", _stripe(lambda L: 2 - L), "other direction"),
        ("transposed", _stripe(lambda L: L - 1), "swapped"),
        (
            "all queries",
            _stripe(lambda L: 1 - L, lambda s: (s.sum(-1) / 9).mean(0)),
            "all queries",
        ),
        ("sum", _stripe(lambda L: 1 - L, lambda s: s.sum(-1).mean(0)), "take the mean"),
        ("batch kept", _stripe(lambda L: 1 - L, lambda s: s.mean(-1)), "average over the batch"),
    ],
    "mean_ablate": [
        ("zero", _ablate(_put(_of_heads, lambda z, h: 0.0)), "zero ablation"),
        (
            "positions",
            _ablate(
                _put(lambda h: (slice(None), h), lambda z, h: z[:, h].mean((0, 1), keepdim=True))
            ),
            "positions, not heads",
        ),
        ("in place", _ablate_in_place, "`z` itself was changed"),
        (
            "batch only",
            _ablate(_put(_of_heads, lambda z, h: z[:, :, h].mean(0, keepdim=True))),
            "batch *and* positions",
        ),
        (
            "one number a head",
            _ablate(_put(_of_heads, lambda z, h: z[:, :, h].mean((0, 1, 3), keepdim=True))),
            "d_head as well",
        ),
        (
            "every head",
            _ablate(_put(lambda h: slice(None), lambda z, h: z.mean((0, 1), keepdim=True))),
            "Every head",
        ),
        (
            "without BOS",
            _ablate(_put(_of_heads, lambda z, h: z[:, 1:, h].mean((0, 1), keepdim=True))),
            "BOS is left out",
        ),
        ("nothing", lambda z, heads: z.clone(), "Nothing has changed"),
        ("no return", lambda z, heads: None, "return"),
    ],
    "copying_score": [
        (
            "columns",
            _copy(lambda E, V, P, U: heads.own_token_rank((E @ V @ P @ U).T)),
            "Rows and columns are swapped",
        ),
        (
            "no head",
            _copy(lambda E, V, P, U: heads.own_token_rank(E @ U)),
            "head is missing",
        ),
        (
            "share of first places",
            _copy(
                lambda E, V, P, U: (
                    ((E @ V @ P @ U).argmax(-1) == torch.arange(len(E))).float().mean()
                )
            ),
            "come first",
        ),
        (
            "beats itself",
            _copy(
                lambda E, V, P, U: ((M := E @ V @ P @ U) <= M.diagonal()[:, None]).float().mean()
            ),
            "beating itself",
        ),
        (
            "divided by n",
            _copy(lambda E, V, P, U: heads.copying_score(E, V, P, U) * 6 / 7),
            "other",
        ),
        ("factors swapped", _copy(lambda E, V, P, U: E @ P @ V @ U), "wrong order"),
    ],
    "k_composition": [
        ("not transposed", _compose(lambda OV, QK: QK @ OV), "not transposed"),
        ("Q-composition", _compose(lambda OV, QK: OV @ QK), "Q-composition"),
        ("query side", _compose(lambda OV, QK: OV.mT @ QK), "query side"),
        (
            "no norms",
            _compose(lambda OV, QK: QK @ OV.mT, lambda OV, QK: 1),
            "norms of the two matrices are missing",
        ),
        (
            "one norm",
            _compose(lambda OV, QK: QK @ OV.mT, lambda OV, QK: torch.linalg.matrix_norm(OV)),
            "Only one",
        ),
        (
            "one norm over the stack",
            lambda OV, QK: (QK @ OV.mT).norm() / (OV.norm() * QK.norm()),
            "over everything",
        ),
    ],
}

CHECKS, SOLVED = checks(), solutions()


def test_every_exercise_has_a_check_a_solution_and_wrong_answers():
    names = {name for lesson in progress.EXERCISES.values() for name in lesson}
    assert set(CHECKS) == set(SOLVED) == set(LIBRARY) == set(MISTAKES) == names
    assert len(names) >= 7
    assert all(len(wrong) >= 3 for wrong in MISTAKES.values())


@pytest.mark.parametrize("name", CHECKS)
def test_the_solution_passes(name):
    verdict = CHECKS[name].verdict(SOLVED[name])
    assert verdict.state == CORRECT, verdict


@pytest.mark.parametrize("name", CHECKS)
def test_the_library_version_passes(name):
    verdict = CHECKS[name].verdict(LIBRARY[name])
    assert verdict.state == CORRECT, verdict


@pytest.mark.parametrize("name", CHECKS)
def test_a_blank_is_not_attempted(name):
    def blank(*args, **kwargs):
        raise NotImplementedError

    assert CHECKS[name].verdict(blank).state == NOT_ATTEMPTED
    assert CHECKS[name].verdict(lambda *args, **kwargs: ...).state == NOT_ATTEMPTED


@pytest.mark.parametrize(
    ("name", "mistake", "function", "part"),
    [pytest.param(n, *row, id=f"{n}: {row[0]}") for n, rows in MISTAKES.items() for row in rows],
)
def test_a_mistake_is_named(name, mistake, function, part):
    verdict = CHECKS[name].verdict(function)
    assert verdict.state == WRONG, f"{mistake} passes"
    assert part in verdict.message, verdict.message


@pytest.mark.parametrize("name", CHECKS)
def test_a_function_that_fails_or_returns_nothing_gets_a_sentence(name):
    def broken(*args, **kwargs):
        return {}["activation"]

    verdict = CHECKS[name].verdict(broken)
    assert verdict.state == WRONG and "KeyError" in verdict.message
    assert CHECKS[name].verdict(lambda *args, **kwargs: None).state == WRONG


def test_a_check_goes_on_for_a_learner_and_stops_a_test(monkeypatch, capsys):
    check = CHECKS["logit_lens"]
    monkeypatch.delenv("HEADS_TO_FEATURES_STRICT", raising=False)
    assert check(lambda *_: None) is None
    assert "logit_lens: wrong" in capsys.readouterr().out
    monkeypatch.setenv("HEADS_TO_FEATURES_STRICT", "1")
    with pytest.raises(Unsolved, match="logit_lens: wrong"):
        check(lambda *_: None)


def test_a_verdict_reads_well_in_a_notebook_and_escapes_what_it_quotes():
    def sloppy(*args):
        raise ValueError("<b>1 & 2</b>")

    page = CHECKS["logit_lens"].verdict(sloppy)._repr_html_()
    assert "<b>1 & 2" not in page and "&lt;b&gt;1 &amp; 2" in page


def test_match_reports_shape_values_and_things_that_are_no_numbers():
    right = torch.ones(2, 3)
    for got, part in [
        (torch.ones(3, 2), "shape (2, 3), and has (3, 2)"),
        (torch.full((2, 3), float("nan")), "not finite"),
        (torch.tensor([[1.0, 1, 1], [1, 5, 1]]), "at [1, 1]"),
        ("text", "not str"),
        (None, "None"),
    ]:
        with pytest.raises(Wrong) as caught:
            match(got, right, what="The scores", mistakes={})
        assert part in str(caught.value)


def test_a_claim_fails_when_the_measurement_moved():
    claim("loss", 2.64, text=2.6, within=0.1)
    for measured in (2.75, float("nan")):
        with pytest.raises(AssertionError, match="the text says 2.6"):
            claim("loss", measured, text=2.6, within=0.1)
