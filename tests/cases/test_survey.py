"""The survey of a model that is new, on one with grouped queries."""

import random

import pytest
import torch
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.small_models import random_model
from utils.cases import survey as survey_module
from utils.cases import verification
from utils.cases.survey import probe_aucs, survey, text_brackets, word_tokens
from utils.models import load


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return random_model("qwen2", tmp_path_factory.mktemp("qwen2"), n_positions=256)


def texts_of(monkeypatch, model, n: int = 12, length: int = 20) -> verification.Brackets:
    """Random words in which a hit is a token: what this tokenizer cannot write, it can read."""
    tokens = torch.randint(2, 40, (n, length), generator=torch.Generator().manual_seed(5))
    hit = torch.arange(n) % 2 == 0
    tokens[:, -2] = torch.where(hit, 38, 39)  # the result
    positions = verification.Brackets(
        tokens, torch.arange(n), torch.full((n,), length - 1), torch.full((n,), 4), hit
    )
    monkeypatch.setattr(survey_module, "text_brackets", lambda *_, **__: positions)
    return positions


def test_the_survey_agrees_with_what_it_is_made_of(qwen, monkeypatch):
    positions = texts_of(monkeypatch, qwen)
    found = survey(qwen, [], yes=[3, 5], no=[6], folds=3, draws=4, batch_size=5)
    said = verification.verdicts(qwen, positions, yes=[3, 5], no=[6])
    torch.testing.assert_close(found.verdicts, said, atol=1e-5, rtol=0)
    for back, aucs in ((0, found.bracket), (1, found.result)):
        x = verification.resid_at(qwen, positions, back=back)
        right = probe_aucs(x, positions.hit, folds=3)
        torch.testing.assert_close(aucs, right)
    assert found.result[0] == 1, "the token that tells is the result's own"
    assert found.shuffled.shape == (4, 4) and found.before.shape == (4,)


def test_the_survey_reads_real_texts_whatever_the_tokenizer(tmp_path):
    qwen = random_model("qwen2", tmp_path, n_positions=256)
    words = ["w0", "(", "=", "+", "-", ".", "Target", *map(str, range(33))]
    backend = qwen.tokenizer.backend_tokenizer
    backend.model = WordLevel({word: i for i, word in enumerate(words)}, "w0")
    backend.pre_tokenizer = Whitespace()
    puzzles = verification.some_puzzles(6, generator=random.Random(0), variable=False)
    found = survey(qwen, puzzles, yes=[3], no=[3], folds=3, draws=2)
    assert found.hit.tolist() == [True, False] * 3
    assert found.verdicts.tolist() == [0.5] * 6  # one token for both
    positions = text_brackets(qwen, puzzles)
    assert [words[i] for i in positions.of(positions.tokens).tolist()] == ["("] * 6


def test_word_tokens_are_what_comes_after():
    model = load("countdown/recheck_0", device="cpu")
    found = word_tokens(model, ["this", "not"], after="( ")
    assert found == (verification.YES_TOKENS[0], verification.NO_TOKENS[0])
    with pytest.raises(ValueError, match="give the tokens"):  # `(this` is one word to it
        word_tokens(model, ["this"])


def test_a_probe_is_not_scored_on_what_it_was_made_from():
    x = torch.randn(1, 40, 200, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 2 == 0
    assert 0.15 < probe_aucs(x, labels, folds=5).item() < 0.8
    x[..., 0] += 30.0 * labels
    assert probe_aucs(x, labels, folds=5).item() == 1


def test_plain_text_ends_at_the_bracket_after_a_result():
    puzzles = verification.some_puzzles(4, generator=random.Random(0))
    positions = text_brackets(_CharacterModel(), puzzles)
    assert positions.hit.tolist() == [True, False, True, False]
    for i, puzzle in enumerate(puzzles):
        text = "".join(map(chr, positions.tokens[i, 1 : int(positions.pos[i]) + 1].tolist()))
        line = text.splitlines()[-1]
        shown, result = line.removesuffix(" (").split(" = ")
        assert eval(shown) == int(result) and (int(result) == puzzle.target) == positions.hit[i]
        assert text[: int(positions.target[i])].endswith(f"Target: {puzzle.target}")
        assert sorted(map(int, shown.replace("-", "+").split("+"))) == sorted(puzzle.numbers)


class _CharacterModel:
    """A tokenizer of characters, with BOS."""

    class cfg:
        device = "cpu"

    def to_tokens(self, text):
        return torch.tensor([[1, *map(ord, text)]])
