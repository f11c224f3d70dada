"""`utils.features.dashboards` on planted latents."""

import pytest
import torch

from utils.features import dashboards, sae

ROWS = [torch.tensor(row) for row in ([3, 1, 4, 1], [1, 5], [9, 2, 6])]
TEXTS = dashboards.corpus(ROWS)


def test_a_corpus_knows_where_its_texts_end():
    assert TEXTS.tokens.tolist() == [3, 1, 4, 1, 1, 5, 9, 2, 6]
    assert TEXTS.text.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert TEXTS.around(4, before=3, after=3) == ([4, 5], 0)
    assert TEXTS.around(2, before=1, after=9) == ([1, 2, 3], 1)
    assert dashboards.neighbour(TEXTS, 0).tolist() == TEXTS.tokens.tolist()
    assert dashboards.neighbour(TEXTS, -1).tolist() == [-1, 3, 1, 4, -1, 1, -1, 9, 2]
    assert dashboards.neighbour(TEXTS, 1).tolist() == [1, 4, 1, -1, 5, -1, 2, 6, -1]


def test_activity_gives_back_what_the_encoder_gave():
    dictionary = sae.TopKSAE(5, 12, k=3)
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    whole = dictionary.encode(x).detach()
    found = dashboards.activity(dictionary.encode, x, k=3, batch_size=16)
    assert torch.equal(found.of(range(12)), whole)
    assert torch.equal(found.of([7, 2]), whole[:, [7, 2]])
    assert torch.equal(found.of([2, 7, 2]), whole[:, [2, 7, 2]])
    assert found.of([]).shape == (40, 0)
    assert torch.allclose(found.density, (whole > 0).float().mean(0))
    W_dec, b_dec = dictionary.W_dec.detach(), torch.arange(5.0)
    assert torch.allclose(found.rebuilt(W_dec, b_dec), whole @ W_dec + b_dec, atol=1e-5)
    assert torch.equal(found.at(x[:, 0] > 0).of([7]), whole[x[:, 0] > 0][:, [7]])


def test_top_examples_take_one_of_each_text():
    acts = torch.tensor([1.0, 5, 6, 0, 0, 0, 2, 3, 0])
    assert dashboards.top_examples(acts, TEXTS.text, 5).tolist() == [2, 7]
    assert dashboards.top_examples(torch.zeros(9), TEXTS.text, 5).tolist() == []


def test_nearest_leaves_the_latent_itself_out():
    W_dec = torch.tensor([[1.0, 0], [2, 0.2], [0, 1], [-1, 0]])
    cosine, index = dashboards.nearest_latents(W_dec, 0, 2)
    assert index.tolist() == [1, 2] and cosine[0] > 0.99 and cosine[1] == pytest.approx(0)
    found = dashboards.nearest_cosines(W_dec, torch.tensor([0, 2]))
    assert found[0] == cosine[0] and found[1] == pytest.approx(0.2 / 4.04**0.5)


def planted(n: int, seed: int):
    """Latents on token 3, after token 5, before token 7, at 4 or 6 after 1 or 2, and by chance."""
    generator = torch.Generator().manual_seed(seed)
    texts = dashboards.corpus(list(torch.randint(9, (n, 30), generator=generator)))
    before = dashboards.neighbour(texts, -1)
    fires = [
        texts.tokens == 3,
        before == 5,
        dashboards.neighbour(texts, 1) == 7,
        ((texts.tokens == 4) & (before == 1)) | ((texts.tokens == 6) & (before == 2)),
        torch.rand(len(texts.tokens), generator=generator) < 0.05,
    ]
    return texts, torch.stack(fires, dim=1).float()


def test_descriptions_find_what_was_planted_and_no_more():
    (fit, fit_acts), (texts, acts) = planted(80, 0), planted(60, 1)
    found = dashboards.score_latents(fit_acts, fit, acts, texts, n_ids=2)
    assert [each.kind for each in found.descriptions[:4]] == list(dashboards.DESCRIPTION_KINDS)
    assert [each.ids[0].item() for each in found.descriptions[:3]] == [3, 5, 7]
    vocabulary = [str(i) for i in range(9)]
    assert set(found.descriptions[3].words(vocabulary)) == {"14", "26"}
    assert found.detection[3] == 1 and abs(found.detection[4] - 0.5) < 0.1
    lone = dashboards.score_latents(fit_acts, fit, acts, texts, n_ids=1)
    assert torch.allclose(lone.detection[:3], torch.ones(3)) and lone.detection[3] < 0.85
    assert lone.strong[0] == lone.weak[0] == 1
    assert lone.named[0] == pytest.approx((texts.tokens == 3).float().mean().item())
    few = dashboards.score_latents(
        fit_acts, fit, acts, texts, kinds=dashboards.DESCRIPTION_KINDS[:1]
    )
    assert few.detection[3] < 0.98
    share = dashboards.token_share(fit_acts, fit.tokens, acts, texts.tokens)
    assert share[0] == 1 and share[1:3].max() < 0.15


def test_pairs_that_come_once_are_not_taken_for_a_description():
    generator = torch.Generator().manual_seed(0)
    texts = dashboards.corpus(list(torch.randint(500, (60, 30), generator=generator)))
    fires = torch.rand(len(texts.tokens), 40, generator=generator) < 0.03
    kinds = [each.kind for each in dashboards.describe(fires, texts)]
    assert kinds.count(dashboards.DESCRIPTION_KINDS[3]) < 15


def test_a_gain_is_what_a_word_alone_adds_to_the_score():
    texts, acts = planted(50, 2)
    fires = acts > 0
    gains = dashboards.key_gains(fires, texts.tokens)
    assert torch.allclose(gains[:, 1], dashboards.key_gains(fires[:, 1], texts.tokens))
    for token in (0, 3, 8):
        score = dashboards.balanced_accuracy(texts.tokens == token, fires[:, 1])
        assert score == pytest.approx(0.5 + gains[token, 1].item(), abs=1e-5)


def test_random_directions_have_the_density_that_was_asked_for():
    x = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([0.01, 0.2, 0.0015])
    fit, other = dashboards.matched_directions(x, x[:100], wanted)
    assert torch.allclose((fit > 0).float().mean(0), wanted, atol=1e-3)
    assert torch.equal(fit[:100], other)
    x[:, 3] *= 30
    shaped = dashboards.shaped_directions(x, 500)
    assert torch.allclose(shaped.norm(dim=1), torch.ones(500))
    assert (shaped[:, 3].abs() > 0.9).float().mean() > 0.8
    dictionary = sae.TopKSAE(8, 30, k=2)
    drawn = dashboards.untrained_dictionary(dictionary, x, of_vectors=True)
    towards = torch.nn.functional.normalize(x - x.mean(0))
    assert (drawn.W_dec @ towards.T).amax(1).min() > 0.999
    assert torch.equal(drawn.W_enc, drawn.W_dec.T) and torch.equal(drawn.b_dec, x.mean(0))
    for draw in ("shaped", "one vector"):  # these lie along the one long axis
        fit, _ = dashboards.matched_directions(x, x[:100], torch.full((20,), 0.02), draw=draw)
        far = (x[:, 3].abs() > 30)[:, None] & (fit > 0)
        assert far.sum() > 0.9 * (fit > 0).sum()


def test_texts_as_rows():
    found = dashboards.Activity(
        torch.tensor([[0, 2]] * 9), torch.arange(18.0).view(9, 2).flip(0), 4
    )
    rows = dashboards.by_text(found, TEXTS)
    assert rows.shape == (3, 4)
    assert torch.equal(rows[:, 0], torch.tensor([16.0, 8, 4])) and not rows[:, 1].any()
    mean = dashboards.by_text(found, TEXTS, how="mean")
    assert mean[:, 0].tolist() == [13, 7, 2] and not mean[:, 3].any()
    means = dashboards.average(torch.arange(9.0)[:, None], TEXTS)
    assert means[:, 0].tolist() == [1.5, 4.5, 7.0]


def test_what_explains_vectors():
    generator = torch.Generator().manual_seed(0)
    (fit_texts, _), (texts, _) = planted(80, 0), planted(40, 1)
    by_token, by_place = torch.randn(2, 80, 6, generator=generator)
    of_token = [by_token[each.tokens] for each in (fit_texts, texts)]
    assert dashboards.explained_by_token(of_token[0], fit_texts, of_token[1], texts) > 0.999
    assert dashboards.explained_by_text(by_place[texts.text], texts) > 0.999
    assert dashboards.explained_by_text(of_token[1], texts) < 0.1


def test_one_map_reads_a_copy_that_no_latent_has():
    generator = torch.Generator().manual_seed(0)
    embedding, turn = torch.randn(20, 16, generator=generator), torch.randn(16, 16)
    piles = [planted(60, seed)[0] for seed in (0, 1)]
    keys = [dashboards.neighbour(texts, -1) for texts in piles]
    vectors = [embedding[key.clamp(min=0)] @ turn for key in keys]
    right = dashboards.named_by_one_map(vectors[0], keys[0], vectors[1], keys[1], embedding)
    assert right[~right.isnan()].mean() > 0.95 and torch.equal(right.isnan(), keys[1] < 0)


def test_some_texts_have_enough_tokens_and_depend_on_the_seed_alone():
    rows = [torch.full((3,), i) for i in range(50)]
    chosen = dashboards.some(rows, 20)
    assert len(chosen) == 7 and all(map(torch.equal, chosen, dashboards.some(rows, 20)))
    assert len(dashboards.some(rows, 1000)) == 50


def test_a_latent_of_the_second_half_is_found():
    index = torch.cat([torch.zeros(5), torch.ones(5)]).repeat(4).long()[:, None]
    active = dashboards.Activity(index, torch.ones(40, 1), 3)
    for sequences in (slice(2), slice(2, None)):
        assert dashboards.second_half(active, 10, sequences=sequences).tolist() == [0, 1, 0.5]


def test_an_interval_leaves_out_what_is_not_there():
    values = torch.tensor([1.0, 3, torch.nan, 2, 2])
    mean, low, high = dashboards.mean_interval(values)
    assert mean == 2 and low < 2 < high
    _, low, high = dashboards.mean_interval(values, groups=["a", "a", "b", "c", "c"])
    assert low == high == 2


def test_a_dashboard_has_a_card_and_every_score():
    (fit, fit_acts), (texts, acts) = planted(80, 0), planted(60, 1)
    active, held = (
        dashboards.activity(lambda x: x, each, k=5) for each in (fit_acts * 2.0, acts * 3.0)
    )
    W_U = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    board = dashboards.Dashboard(
        torch.eye(5, 4) + 0.1, active, held, fit, texts, torch.ones(4), W_U, list("abcdefghi")
    )
    title, facts, examples = board.card(0, 3)
    assert title == "latent 0" and len(examples) == 3
    assert all(tokens[here] == "d" and values[here] == 2 for tokens, values, here in examples)
    assert dict(facts)["description"].startswith("this token is one of 'd'")
    scores = board.scores(torch.tensor([0, 1, 4]))
    assert all(len(values) == 3 for values in scores.values())
    assert scores["description: held-out score"][0] > 0.9
    assert scores["active at, % of tokens"][0] == pytest.approx(100 / 9, abs=2)


def test_a_copying_latent_is_found_where_one_is_planted():
    def found(rows):
        repeats = torch.cat(
            [torch.cat([row.new_zeros(25), (row[25:] == row[:25]).long()]) for row in rows]
        )
        return dashboards.Activity(repeats[:, None], torch.ones(len(repeats), 1), 3)

    repeated, new = dashboards.copying_sequences(torch.arange(5000))
    assert all(torch.equal(a[:25], b[:25]) for a, b in zip(repeated, new, strict=True))
    best = dashboards.copying_latents(found(repeated), found(new), top=2)
    assert best.latents[0] == 1 and best.repeated[0] == 1 and best.new[0] == 0.5
