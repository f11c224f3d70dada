"""Geometry: planted likeness is found, its controls find none, and two models meet by strings."""

import contextlib
import io
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data.gemma_rows import task
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
    assert geometry.rsa(A, B) == pytest.approx(1, abs=1e-4)
    assert geometry.lle_agreement(A, B, k=4).mean() > 0.99
    assert torch.allclose(geometry.procrustes(A, B), 3 * turn, atol=1e-4)


def test_unrelated_clouds_are_alike_by_chance_alone():
    A, B = cloud(400, 6, seed=0), cloud(400, 9, seed=1)
    assert abs(geometry.rsa(A, B)) < 0.05
    assert abs(geometry.lle_agreement(A, B).mean()) < 0.05


def test_the_cosine_of_weights_is_high_for_noise_and_their_correlation_is_not():
    """Why each model needs its own neighbours: in noise all weights are near 1 / k."""
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
    rows = {"fit": torch.arange(200), "test": torch.arange(200, 300)}
    explained, found = geometry.judge_map(T, A, B, **rows)
    assert explained > 0.97 and found > 0.7
    wrong = geometry.fit_map(A[:200], B[:200].roll(1, 0))
    explained, found = geometry.judge_map(wrong, A, B, **rows)
    assert explained < 0.05 and found < 0.1
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
    assert abs(geometry.rsa(E[:500], G[:500])) < 0.05


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


def test_rows_are_found_by_their_words(two_models):
    A, B = (geometry.rows_of(model, WORDS[10:]) for model in two_models)
    assert A.shape == (30, 16) and B.shape == (30, 24)
    other = two_models[1]
    assert torch.equal(B[3], other.W_E[other.tokenizer.convert_tokens_to_ids("word13")].cpu())
    assert geometry.rsa(A, B) > 0.5 and abs(geometry.rsa(A, B.roll(1, 0))) < 0.3
    with pytest.raises(ValueError, match="is no token"):
        geometry.rows_of(other, WORDS)
    with contextlib.redirect_stdout(io.StringIO()):
        toy = load("induction/one_layer/step_00000", device="cpu")
    with pytest.raises(ValueError, match="has no tokenizer"):
        geometry.rows_of(toy, WORDS)


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


def test_a_direction_is_moved_and_steers_the_other_model(two_models):
    """The path of the lesson's last part: fit on shared tokens, move, add, and read the logits."""
    a, b = two_models
    tokens = WORDS[10:]
    A, B = (geometry.rows_of(model, tokens) for model in two_models)
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
    measure = partial(geometry.log_odds, model, texts, pairs)
    found = geometry.steering_effects(model, vectors, measure, layer=1, norm=2.0)
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


def test_neighbours_of_a_planted_cluster_are_coherent():
    centre = 5 * cloud(1, 8, seed=0)
    E = torch.cat([centre + 0.1 * cloud(20, 8, seed=1), cloud(200, 8, seed=2)])
    found = geometry.coherence(E, geometry.nearest_rows(E, 10))
    assert found[:20].min() > 0.9 > found[20:].mean()
    assert abs(geometry.coherence(E, torch.arange(20, 220)[None])).item() < 0.3


def test_a_bag_of_words_runs_no_layer(two_models):
    model, pairs = two_models[0], [("word1 word2", "word3"), ("word4", "word5 word6 word7")]
    row = dict(zip(WORDS, geometry.rows_of(model, WORDS), strict=True))
    first = (row["word1"] + row["word2"]) / 2 - row["word3"]
    second = row["word4"] - (row["word5"] + row["word6"] + row["word7"]) / 3
    assert torch.allclose(geometry.bag_of_words(model, pairs)[0], (first + second) / 2, atol=1e-6)


def test_sealed_maps_keep_a_budget_and_are_told_by_held_out_rows():
    A = cloud(220, 6, seed=0)
    B = A @ cloud(6, 5, seed=1) + 0.1 * cloud(220, 5, seed=2)
    order = ("half", "frequency", "true")
    counts = torch.arange(200)
    sealed = geometry.SealedMaps(A[:200], B[:200], counts, order=order, ridge=0.01, budget=60)
    near = {
        kind: torch.nn.functional.mse_loss(sealed.move(letter, A[200:]), B[200:]).item()
        for letter, kind in zip("abc", order, strict=True)
    }
    assert near["true"] < near["half"] < near["frequency"]
    with pytest.raises(ValueError, match="0 vectors are left"):
        sealed.move("a", A[:1])


def test_the_words_of_gemma_are_whole_and_have_pairs():
    tokens, counts, rows = task.words()
    assert len(tokens) == len(counts) == len(rows) and rows.shape[1] == 640
    assert (counts.diff() <= 0).all() and counts.min() >= 13
    pairs = task.word_pairs(dict(zip(tokens, counts.tolist(), strict=True)))
    assert len({word for pair in pairs for word in pair}) == 2 * len(pairs) > 150
    positive, negative = (task.ratings([pair[i] for pair in pairs]) for i in (0, 1))
    assert positive.min() > 0.3 and negative.max() < -0.3
    assert [list(pair) for pair in pairs] == task.recorded()["pairs"]


def test_reading_both_gives_each_model_s_highest_words_and_the_share_in_common():
    A = torch.cat([torch.eye(4), -torch.eye(4)]) + 3
    B = torch.cat([2 * torch.eye(4), -torch.eye(4)])[[1, 0, 2, 3, 4, 5, 6, 7]] - 1
    v = torch.tensor([4.0, 3.0, 2.0, 1.0])
    first, second, share = geometry.read_both(v, v, A, B, k=3)
    assert first == [0, 1, 2] and second[:2] == [1, 0]  # the same words at other places count
    assert share == len(set(first) & set(second)) / 3 and share >= 2 / 3
