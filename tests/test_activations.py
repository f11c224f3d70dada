"""utils.activations on a small random model."""

import pytest
import torch
from tokenizers.pre_tokenizers import WhitespaceSplit

from tests import small_models
from utils import activations


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = small_models.random_model("llama", tmp_path_factory.mktemp("llama"))
    model.tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()  # words are tokens
    return model


def texts_of(model, lengths):
    words = [model.tokenizer.decode([i]) for i in range(3, 9)]
    return [" ".join(words[:n]) for n in lengths]


def test_activations_are_the_cache_at_the_last_token_whatever_the_padding(model):
    texts = texts_of(model, [5, 2, 4, 1])
    got = activations.activations(model, texts, position=[-1, -2], batch_size=3)
    assert got.shape == (2, 4, 4, model.cfg.d_model) and got.dtype is torch.float32
    for i, text in enumerate(texts):
        with torch.no_grad():
            _, cache = model.run_with_cache(model.to_tokens(text))
        for layer in range(3):
            resid = cache["resid_pre", layer][0]
            assert torch.allclose(got[0, layer, i], resid[-1], atol=1e-5)
            assert torch.allclose(got[1, layer, i], resid[-2], atol=1e-5)
        assert torch.allclose(got[0, 3, i], cache["resid_post", 2][0, -1], atol=1e-5)


def test_fewer_layers_and_one_position_give_part_of_the_same(model):
    texts = texts_of(model, [3, 5])
    full = activations.activations(model, texts)
    assert full.shape[0] == 4
    assert torch.allclose(activations.activations(model, texts, layers=1), full[:2], atol=1e-6)
    assert not torch.allclose(
        activations.activations(model, texts, bos=False)[3], full[3], atol=1e-4
    )


def test_what_follows_a_text_does_not_depend_on_its_batch(model):
    texts = texts_of(model, [4, 2, 5])
    got = activations.next_logits(model, texts, batch_size=2)
    with torch.no_grad():
        alone = torch.stack([model(model.to_tokens(text))[0, -1] for text in texts])
    assert got.dtype is torch.float32 and torch.allclose(got, alone, atol=1e-5)


def test_no_text_is_cut(model):
    """A text of 16 tokens is read whole, and one of 17 is refused."""
    word = model.tokenizer.decode([5])
    assert len(activations.tokens_of(model, [f"{word} " * 15])[0]) == 16
    with pytest.raises(ValueError, match="has 17 tokens, and this model reads 16"):
        activations.activations(model, [word, f"{word} " * 16])
