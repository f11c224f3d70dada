"""Geometry: planted likeness is found, its controls find none, and two models meet by strings."""

import contextlib
import io
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from utils.models import load
from utils.steering import at_dose, steer, typical_norm
from utils.writing import geometry


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(n: int, d: int, *, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=seeded(seed))


def test_a_turned_scaled_and_moved_copy_is_the_same_in_every_measure():
    A = cloud(60, 5, seed=0)
    turn = torch.linalg.qr(cloud(8, 5, seed=1)).Q.T  # [5, 8]
    B = 3 * A @ turn + 7
    found = geometry.likeness(A, B, k=4)
    assert found.pearson == pytest.approx(1, abs=1e-4)
    assert found.overlap.mean() > 0.99 and found.lle.mean() > 0.99
    # Not so without centring: a common mean makes all cosines nearly 1.
    assert geometry.likeness(A, B, k=4, centre=False).pearson < 0.9


def test_strangers_are_alike_by_chance_alone():
    A, B = cloud(400, 6, seed=0), cloud(400, 9, seed=1)
    found = geometry.likeness(A, B, k=10)
    assert abs(found.pearson) < 0.05
    assert found.overlap.mean() == pytest.approx(10 / 399, abs=0.01)
    assert abs(found.lle.mean()) < 0.05


def test_the_cosine_of_weights_is_high_for_noise_and_their_correlation_is_not():
    """Why `likeness` compares weights by correlation: all weights are near 1 / k in noise."""
    A, B = cloud(300, 100, seed=0), cloud(300, 100, seed=1)
    near = geometry.nearest_rows(A, 10)
    x, y = (geometry.unit_rows(E) for E in (A, B))
    weights = geometry.lle_weights(x, x[near]), geometry.lle_weights(y, y[near])
    assert torch.nn.functional.cosine_similarity(*weights).mean() > 0.6
    assert abs(geometry.row_pearson(*weights).mean()) < 0.1


def test_nearest_rows_leave_the_token_itself_out():
    near = geometry.nearest_rows(cloud(30, 4, seed=0), 29)
    assert all(
        sorted(row) == [i for i in range(30) if i != n] for n, row in enumerate(near.tolist())
    )


def test_the_intrinsic_dimension_of_a_plane_and_of_a_ball():
    plane = cloud(200, 2, seed=0) @ cloud(2, 20, seed=1) + 4
    ball = cloud(200, 20, seed=2)
    for E, low, high in ((plane, 1, 2), (ball, 10, 20)):
        found = geometry.intrinsic_dimension(E, geometry.nearest_rows(E, 40))
        assert low <= found.min() and found.max() <= high


def test_a_map_is_found_and_its_fit_is_measured_on_other_tokens():
    A = cloud(300, 6, seed=0) + 2
    planted = cloud(6, 4, seed=1)
    B = A @ planted + 5 + 0.1 * cloud(300, 4, seed=2)
    T = geometry.fit_map(A[:200], B[:200])
    assert torch.allclose(T, planted, atol=0.1)
    means = A[:200].mean(0), B[:200].mean(0)
    assert geometry.map_fit(T, A[200:], B[200:], means=means) > 0.97
    wrong = geometry.fit_map(A[:200], B[:200].roll(1, 0))
    assert geometry.map_fit(wrong, A[200:], B[200:], means=means) < 0.05
    small = geometry.fit_map(A[:200], B[:200], ridge=10.0)
    assert small.norm() < 0.2 * T.norm()


def test_a_map_of_more_weights_than_tokens_needs_a_ridge():
    A, B = cloud(5, 6, seed=0), cloud(5, 2, seed=1)
    with pytest.raises(ValueError, match="a ridge above 0"):
        geometry.fit_map(A, B)
    assert geometry.fit_map(A, B, ridge=0.1).shape == (6, 2)


def test_partners_of_like_frequency():
    counts = torch.arange(1, 204) ** 2
    other = geometry.like_frequency(counts, generator=seeded(0), window=10)
    assert sorted(other.tolist()) == list(range(203))
    assert not (other == torch.arange(203)).any()
    assert (other - torch.arange(203)).abs().max() < 14
    assert torch.equal(other, geometry.like_frequency(counts, generator=seeded(0), window=10))
    assert not torch.equal(other, geometry.like_frequency(counts, generator=seeded(1), window=10))


def test_gaussian_rows_keep_the_shape_of_the_cloud_and_no_more():
    E = cloud(4000, 3, seed=0) @ torch.diag(torch.tensor([5.0, 1.0, 0.2])) + 3
    G = geometry.gaussian_like(E, generator=seeded(1))
    assert torch.allclose(G.T.cov(), E.T.cov(), atol=1.5)
    assert torch.allclose(G.mean(0), E.mean(0), atol=0.5)
    assert abs(geometry.cosine_pearson(E[:500], G[:500])) < 0.05


# ---- Two models in Hugging Face format, with tokenizers of their own ----------------------------

WORDS = [f"word{i}" for i in range(40)]


def saved_llama(folder, *, width: int, words: list[str], like: torch.Tensor):
    """A small random Llama whose embeddings are a random view of `like`, with a tokenizer."""
    torch.manual_seed(width)
    specials = ["<s>", "</s>"]
    vocabulary = {word: i for i, word in enumerate([*specials, *words])}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="</s>")),
        bos_token="<s>",
        eos_token="</s>",
    )
    fast.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[2:] = like @ torch.randn(like.shape[1], width)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        return load(folder, device="cpu")


@pytest.fixture(scope="module")
def two_models(tmp_path_factory):
    """Two widths; the second has the words backwards and lacks the first ten."""
    like = cloud(40, 6, seed=3)
    return (
        saved_llama(tmp_path_factory.mktemp("a"), width=16, words=WORDS, like=like),
        saved_llama(
            tmp_path_factory.mktemp("b"), width=24, words=WORDS[:9:-1], like=like[10:].flip(0)
        ),
    )


def test_two_loaded_models_are_compared_token_by_token(two_models):
    tokens, A, B = geometry.embeddings(*two_models)
    assert tokens == WORDS[10:] and A.shape == (30, 16) and B.shape == (30, 24)
    other = two_models[1]
    assert torch.equal(B[3], other.W_E[other.tokenizer.convert_tokens_to_ids("word13")].cpu())
    found = geometry.likeness(A, B, k=5)
    assert found.pearson > 0.5 and found.overlap.mean() > 0.4
    assert abs(geometry.likeness(A, B.roll(1, 0), k=5).pearson) < 0.3


def test_a_space_is_spelt_in_one_way():
    def model(*words):
        fast = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)})),
            eos_token=words[0],
        )
        return SimpleNamespace(tokenizer=fast, cfg=SimpleNamespace(model_name="toy"))

    vocabularies = [
        geometry.vocabulary(model("<end>", "▁cat", "cat")),
        geometry.vocabulary(model("<stop>", "cat", "Ġcat")),
    ]
    assert vocabularies == [{"Ġcat": 1, "cat": 2}, {"cat": 1, "Ġcat": 2}]


def test_compare_puts_every_measure_beside_its_control(two_models):
    counts = {word: 10 * i + 5 for i, word in enumerate(WORDS)}
    found = geometry.compare(*two_models, at_least=(counts, 1), k=5)
    assert found["tokens"] == 30 and found["overlap, chance"] == 5 / 29
    for name in ("pearson", "overlap", "lle", "map"):
        assert found[name] > found[f"{name}, shuffled"] + 0.2
    assert found["map"] > 0.5 > 0.3 > abs(found["pearson, like frequency"])


def test_the_interval_of_the_correlation_holds_it_and_shrinks_with_more_tokens():
    A = cloud(400, 5, seed=0)
    B = A + cloud(400, 5, seed=1)
    ends = {n: geometry.pearson_interval(A[:n], B[:n], n=60) for n in (50, 400)}
    for n, (low, high) in ends.items():
        assert low < geometry.cosine_pearson(A[:n], B[:n]) < high
    assert ends[400][1] - ends[400][0] < 0.6 * (ends[50][1] - ends[50][0])


def test_a_direction_is_moved_and_steers_the_other_model(two_models):
    """The path of the lesson's last part: fit on shared tokens, move, add, and read the logits."""
    a, b = two_models
    tokens, A, B = geometry.embeddings(a, b)
    T = geometry.fit_map(A, B, ridge=0.01)
    word = tokens.index("word20")
    norm = typical_norm(b, ["word11 word12"], layer=2)
    v = at_dose((A[word] - A.mean(0)) @ T, 4.0, norm=norm)
    text = b.to_tokens("word11 word12 word13")
    target = b.tokenizer.convert_tokens_to_ids("word20")
    with torch.no_grad(), steer(b, v, layer=2):
        steered = b(text)[0, -1].log_softmax(-1)
    with torch.no_grad():
        plain = b(text)[0, -1].log_softmax(-1)
    assert steered[target] > plain[target] + 0.5


def test_the_effect_of_vectors_is_that_of_steering_with_each(two_models):
    model = two_models[1]
    texts, pairs = ["word11 word12", "word13"], [("word20", "word21"), ("word30", "word12")]
    vectors = cloud(3, 24, seed=4)
    found = geometry.steering_effects(model, vectors, texts, pairs, layer=1, norm=2.0)
    assert found.shape == (3, 2)

    def by_hand(first: str, second: str) -> float:
        ids = [model.tokenizer.convert_tokens_to_ids(word) for word in (first, second)]
        logits = [model(model.to_tokens(text))[0, -1] for text in texts]
        return sum((x[ids[0]] - x[ids[1]]).item() for x in logits) / 2

    with torch.no_grad():
        plain = by_hand(*pairs[0])
        with steer(model, 2 * vectors[1] / vectors[1].norm(), layer=1, positions=slice(1, None)):
            steered = by_hand(*pairs[0])
    assert found[1, 0].item() == pytest.approx(steered - plain, abs=1e-4)
    assert found[1, 0].abs() > 1e-3


def test_rare_tokens_can_be_left_out_and_models_without_strings_are_named(two_models):
    counts = dict.fromkeys(WORDS[15:], 7) | {"word15": 2}
    tokens, _, _ = geometry.embeddings(*two_models, at_least=(counts, 5))
    assert tokens == WORDS[16:]
    with pytest.raises(ValueError, match="ask for a lower count"):
        geometry.embeddings(*two_models, at_least=(counts, 8))
    with contextlib.redirect_stdout(io.StringIO()):
        toy = load("induction/one_layer/step_00000", device="cpu")
    with pytest.raises(ValueError, match="has no tokenizer"):
        geometry.embeddings(two_models[0], toy)


def test_pairs_that_are_taken_in_blocks_give_the_whole_correlation():
    A = cloud(2500, 4, seed=0) + 1  # 2500 rows are more than one block
    B = A + cloud(2500, 4, seed=1)
    tables = [(x @ x.T).double() for x in (geometry.unit_rows(A), geometry.unit_rows(B))]
    pairs = [table[tuple(torch.triu_indices(2500, 2500, offset=1))] for table in tables]
    whole = torch.corrcoef(torch.stack(pairs))[0, 1].item()
    assert geometry.cosine_pearson(A, B) == pytest.approx(whole, abs=1e-6)
    low, high = geometry.pearson_interval(A, B, n=40)
    assert low < whole < high and high - low < 0.05
