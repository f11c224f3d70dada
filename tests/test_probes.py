"""utils.probes: reading activations on a random model, and probes on planted data."""

import pytest
import torch
from tokenizers.pre_tokenizers import WhitespaceSplit

from tests import small_models
from utils import probes


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = small_models.random_model("llama", tmp_path_factory.mktemp("llama"))
    model.tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()  # words are tokens
    return model


def planted(n: int = 200, d: int = 6, seed: int = 0):
    """Rows around (5, 5, ...), shifted along the first axis by their label."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 5
    y = torch.arange(n) % 2
    x[:, 0] += 4 * y
    return x, y


def texts_of(model, lengths):
    words = [model.tokenizer.decode([i]) for i in range(3, 9)]
    return [" ".join(words[:n]) for n in lengths]


def test_activations_are_the_cache_at_the_last_token_whatever_the_padding(model):
    texts = texts_of(model, [5, 2, 4, 1])
    got = probes.activations(model, texts, position=[-1, -2], batch_size=3)
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
    full = probes.activations(model, texts)
    assert full.shape[0] == 4
    assert torch.allclose(probes.activations(model, texts, layers=1), full[:2], atol=1e-6)
    assert not torch.allclose(probes.activations(model, texts, bos=False)[3], full[3], atol=1e-4)


@pytest.mark.parametrize(("texts", "position"), [([], -1), (["a"], -9), (["a"], 0)])
def test_activations_say_what_they_need(model, texts, position):
    with pytest.raises(ValueError, match="counted from the end"):
        probes.activations(model, texts, position=position)


@pytest.mark.parametrize("fit", [probes.mean_difference, probes.logistic])
def test_a_planted_direction_is_found(fit):
    x, y = planted()
    probe = fit(x, y)
    assert probe.accuracy(x, y) > 0.95
    assert probe.direction.abs().argmax() == 0 and probe.direction[0] > 0
    direction, bias = probe  # it unpacks
    assert torch.allclose(probe.scores(x), x @ direction + bias)
    far = probe.scores(x[:2] + torch.tensor([9.0, 0, 0, 0, 0, 0]))
    assert (far > probe.scores(x[:2])).all()


def test_the_bias_is_what_makes_it_work_far_from_the_origin():
    x, y = planted()
    bare = probes.mean_difference(x, y)._replace(bias=torch.tensor(0.0))
    assert bare.accuracy(x, y) == 0.5


def test_a_constant_coordinate_harms_nothing():
    x, y = planted()
    x[:, 3] = 7.0
    probe = probes.logistic(x, y)
    assert probe.direction.isfinite().all() and probe.direction[3] == 0
    constant = probes.logistic(torch.ones(6, 4), torch.tensor([0, 1] * 3))
    assert constant.scores(torch.ones(2, 4)).isfinite().all()


def test_cross_validation_sees_a_signal_and_no_signal():
    x, y = planted()
    groups = [i // 4 for i in range(len(y))]
    fit = probes.mean_difference
    assert probes.cross_validated(x, y, groups, fit=fit).mean() > 0.95
    coins = probes.control_labels(groups, seed=0)
    assert 0.25 < probes.cross_validated(x, coins, groups, fit=fit).mean() < 0.75


def test_cross_validation_keeps_groups_whole():
    """Every group has a coordinate of its own that gives its label: no use once it is held out."""
    groups = [i // 2 for i in range(80)]
    y = probes.control_labels(groups, seed=1)
    x = torch.eye(40).repeat_interleave(2, 0) * (2.0 * y[:, None] - 1)
    by_row = probes.cross_validated(x, y, list(range(80)), fit=probes.mean_difference).mean()
    by_group = probes.cross_validated(x, y, groups, fit=probes.mean_difference).mean()
    assert by_row > 0.75 and by_group < 0.65


def test_a_split_is_of_whole_groups():
    groups = list("aabbbcddee")
    out = probes.split_by_group(groups, test=0.4, seed=0)
    chosen = {g for g, o in zip(groups, out.tolist(), strict=True) if o}
    kept = {g for g, o in zip(groups, out.tolist(), strict=True) if not o}
    assert len(chosen) == 2 and not chosen & kept


def test_auc_and_choices():
    scores, labels = torch.tensor([3.0, 1.0, 2.0, 2.0]), torch.tensor([1, 0, 1, 0])
    assert probes.auc(scores, labels) == pytest.approx(0.875)
    assert probes.choices(scores, labels, list("aabb")) == {"a": 1.0, "b": 0.5}
    with pytest.raises(ValueError, match="two rows of label"):
        probes.choices(scores, torch.tensor([1, 1, 0, 0]), list("aabb"))
    with pytest.raises(ValueError, match="rows of one label"):
        probes.choices(scores[:3], labels[:3], list("aab"))


def test_an_exact_interval_has_a_width_where_all_cases_are_alike():
    low, high = probes.share_interval(torch.ones(100).bool())
    assert high == 1 and low == pytest.approx(0.025 ** (1 / 100))  # low ** 100 is 2.5%
    low, high = probes.share_interval([True] * 3 + [False] * 7)
    assert 0.06 < low < 0.07 and 0.65 < high < 0.66  # in any table of Clopper and Pearson
    with pytest.raises(ValueError, match="No cases"):
        probes.share_interval([])


def test_the_interval_covers_and_groups_widen_it():
    random = torch.Generator().manual_seed(0)
    covered = 0
    for seed in range(60):
        low, high = probes.bootstrap(torch.rand(50, generator=random) < 0.7, n=300, seed=seed)
        covered += low <= 0.7 <= high
    assert covered >= 50
    values = torch.tensor([0.0, 1.0] * 20).repeat_interleave(5)
    alone = probes.bootstrap(values)
    whole = probes.bootstrap(values, groups=[i // 5 for i in range(200)])
    assert whole[1] - whole[0] > 1.8 * (alone[1] - alone[0])
    assert probes.bootstrap([1.0, 1.0]) == (1.0, 1.0)
    assert probes.bootstrap(3 * values[1::5], over=4 * values[1::5]) == (0.75, 0.75)
    assert probes.bootstrap(values) == probes.bootstrap(values)
    for values, groups in (([], None), ([1.0], ["a", "b"])):
        with pytest.raises(ValueError, match="a group for each value"):
            probes.bootstrap(values, groups=groups)


def pairs(seed: int = 0, n: int = 100, d: int = 8):
    """Contrast pairs: the true one of each is shifted along the first axis."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.rand(n, generator=random) < 0.5
    first, second = (torch.randn(n, d, generator=random) for _ in range(2))
    first[:, 0] += 6 * truth
    second[:, 0] += 6 * ~truth
    return first, second, truth.long()


def test_ccs_finds_what_differs_within_every_pair():
    first, second, truth = pairs()
    assert probes.ccs(first, second, tries=2).agreement(truth).mean() > 0.95
    assert probes.first_component(first, second).agreement(truth).mean() > 0.95


def test_only_normalising_each_half_hides_what_the_halves_share():
    first, second, truth = pairs()
    first[:, 1:6] += 20
    raw = probes.ccs(first, second, normalise=False, tries=2)
    assert raw.agreement(truth).mean() < 0.75 and raw.loss < 0.01
    assert probes.ccs(first, second, tries=2).agreement(truth).mean() > 0.95


def test_agreement_takes_the_better_sign():
    found = probes.Unsupervised(torch.tensor([1.0, -1, 1]), None)
    assert found.agreement(torch.tensor([0, 1, 1])).tolist() == [1.0, 1.0, 0.0]


def test_contrast_pairs_are_two_rows_of_each_group_in_random_order():
    found = probes.contrast_pairs(list("abcabc" * 1) + list("defghdefgh"), seed=0)
    assert found.shape == (8, 2) and sorted(found.flatten().tolist()) == list(range(16))
    assert found[:3].sort(1).values.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert 0 < (found[:, 0] > found[:, 1]).sum() < 8
    with pytest.raises(ValueError, match="two of each group"):
        probes.contrast_pairs(list("aab"), seed=0)


def test_exchange_along_moves_one_component_and_leaves_the_rest():
    resid = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    at, partner = torch.tensor([2, 0]), torch.tensor([1, 0])
    out = probes.exchange_along(resid, torch.tensor([0.0, -10.0, 0, 0]), at, partner)
    right = resid.clone()
    right[0, 2, 1], right[1, 0, 1] = resid[1, 0, 1], resid[0, 2, 1]
    assert torch.allclose(out, right)


def test_preference_is_the_logit_difference_at_each_text_s_own_end(model):
    texts = texts_of(model, [4, 2])
    words = tuple(model.tokenizer.decode([i]) for i in (5, 7))
    got = probes.preference(model, texts, words)
    logits = probes.next_logits(model, texts, batch_size=1)
    assert torch.allclose(got, logits[:, 5] - logits[:, 7], atol=1e-5)
    with torch.no_grad():
        for text, value in zip(texts, got, strict=True):
            logits = model(model.to_tokens(text))[0, -1]
            assert torch.allclose(value, logits[5] - logits[7], atol=1e-5)
    seen = []

    def edit(resid, lengths):
        seen.append(lengths.tolist())
        return torch.zeros_like(resid)

    edited = probes.preference(model, texts, words, layer=2, edit=edit)
    assert seen == [[5, 3]] and not torch.allclose(edited, got, atol=1e-4)


def test_the_standard_error_counts_groups_and_not_rows():
    values = torch.tensor([0.0, 1.0] * 8)
    alone = probes.standard_error(values, groups=range(16))
    assert alone == pytest.approx(values.std().item() / 4)
    copied = values.repeat_interleave(5)
    assert probes.standard_error(copied, groups=[i // 5 for i in range(80)]) == pytest.approx(alone)


def test_the_interval_of_an_auc_holds_it_and_draws_whole_groups():
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 2
    scores = torch.randn(80, generator=random) + labels
    low, high = probes.auc_interval(scores, labels, range(80))
    assert 0.5 < low < probes.auc(scores, labels) < high < 1
    doubled = [i // 2 for i in range(160)]
    again = probes.auc_interval(scores.repeat_interleave(2), labels.repeat_interleave(2), doubled)
    assert again == pytest.approx((low, high))
    assert probes.auc_interval(1.0 * labels, labels, range(80)) == (1.0, 1.0)
