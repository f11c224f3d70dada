"""data/stories: the cut-down tokenizer, the texts and the models that learnt from them."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from data.stories import make
from utils.models import load

NAMES = list(make.RECIPES)


@pytest.fixture(scope="module")
def texts():
    return make.read_texts()


@pytest.fixture(scope="module")
def models():
    return {name: load(f"stories/{name}", device="cpu") for name in NAMES}


def test_a_cut_tokenizer_keeps_what_occurs_often_and_reads_everything(texts):
    whole = load().tokenizer
    some = texts[:300]
    cut = make.cut_tokenizer(some, least=30)
    count = Counter(i for ids in whole(some)["input_ids"] for i in ids)
    often = {whole.convert_ids_to_tokens(i) for i, n in count.items() if n >= 30}
    assert often <= set(cut.get_vocab()) <= set(whole.get_vocab())
    assert sorted(cut.get_vocab().values()) == list(range(len(cut)))
    for text in [*some[:20], "Zürich, 1984: an idiosyncratic \t café 🌊"]:
        assert cut.decode(cut(text)["input_ids"]) == text
    same = [whole.tokenize(t) == cut.tokenize(t) for t in (" and it was in the", " the")]
    assert all(same), "common words are still one token each"


@pytest.mark.parametrize("name", NAMES)
def test_a_model_reads_with_bos_and_knows_the_texts(models, texts, name):
    model, recipe = models[name], make.RECIPES[name]
    assert model.cfg.d_model == recipe.width and model.cfg.n_layers == recipe.layers
    assert model.to_tokens("The sea")[0, 0] == 1
    assert set(model.tokenizer.get_vocab()) <= set(load().tokenizer.get_vocab())
    unseen = texts[:: recipe.held_out][:20]
    rows = make.rows_of(model.tokenizer, unseen, recipe.length)
    with torch.no_grad():
        logits = model(rows.clamp(min=0)[:, :-1])
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), rows[:, 1:].flatten(), ignore_index=-100
    )
    assert loss < 4.0, "an untrained model has ln(4733) = 8.5"


def test_the_recipe_learns(tmp_path, monkeypatch, texts):
    tiny = replace(make.RECIPES["narrow"], width=32, layers=1, epochs=12.0, warmup=5, batch=16)
    monkeypatch.setitem(make.RECIPES, "narrow", tiny)
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    monkeypatch.setattr(make, "read_texts", lambda: texts[:100])
    make.train("narrow")
    model = load(tmp_path / "narrow", device="cpu")
    rows = make.rows_of(model.tokenizer, texts[1:20], 128)
    with torch.no_grad():
        trained = make.loss_of(model.original_model, rows)
        untrained = make.loss_of(make.new_model(tiny, model.cfg.d_vocab), rows)
    assert trained < untrained - 1


def test_prompts_are_drawn_by_seed():
    assert make.prompts(5, 1) == make.prompts(5, 1) != make.prompts(5, 2)
