"""The Boolean toy, its transcoders, and the paths that these draw."""

import pytest
import torch

from utils.features import cross_layer as cl


@pytest.fixture(scope="module")
def toy():
    start = cl.truth_table()
    return start, *cl.run_network(cl.boolean_network(), start)


def drawn(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_the_network_computes_and_needs_its_first_layer(toy):
    start, _, writes = toy
    a, b, c, d = (start[:, :4] > 0).T
    torch.testing.assert_close(writes[0][:, 4:6], torch.stack([a ^ b, c ^ d], 1).float())
    torch.testing.assert_close(writes[1][:, 6], ((a ^ b) & (c ^ d)).float())
    reads, ablated = cl.run_network(cl.boolean_network(), start, ablate=[0])
    assert not ablated[1].any() and torch.equal(reads[1], start)


def test_norms_of_one_and_of_two_targets():
    decoders = {(0, 0): torch.tensor([[3.0, 0.0]]), (0, 1): torch.tensor([[0.0, 4.0]])}
    torch.testing.assert_close(cl.joint_norm(decoders, 0), torch.tensor([5.0]))
    torch.testing.assert_close(cl.separate_norms(decoders, 0), torch.tensor([7.0]))


def test_the_loss_of_many_is_the_loss_of_each():
    acts = [drawn(2, 5, 3).abs(), drawn(2, 5, 4, seed=1).abs()]
    sizes = {(0, 0): 3, (0, 1): 3, (1, 1): 4}
    decoders = {pair: drawn(2, n, 6, seed=9 + n) for pair, n in sizes.items()}
    biases, writes = [drawn(2, 6, seed=2), drawn(2, 6, seed=3)], [drawn(5, 6), drawn(5, 6, seed=5)]
    penalty = torch.tensor([0.2, 0.7])
    both = cl.cross_layer_loss(
        acts, decoders, biases, writes, penalty=penalty, norm=cl.separate_norms
    )
    for i in range(2):
        one = cl.cross_layer_loss(
            [each[i] for each in acts],
            {pair: weight[i] for pair, weight in decoders.items()},
            [bias[i] for bias in biases],
            writes,
            penalty=penalty[i],
            norm=cl.separate_norms,
        )
        torch.testing.assert_close(both[i], one)


def test_training_is_repeatable_learns_and_keeps_its_seeds_apart(toy):
    start, reads, writes = toy
    how = {"pairs": cl.CROSS_LAYER, "penalties": torch.tensor([0.01, 0.1]), "steps": 300}
    one = cl.train_replacements(reads, writes, seeds=[4], **how)
    two = cl.train_replacements(reads, writes, seeds=[3, 4], **how)
    torch.testing.assert_close(one.W_enc[0][:, 0], two.W_enc[0][:, 1], atol=1e-3, rtol=1e-3)
    error, active, made = cl.errors_and_active(two, reads, writes)
    assert error.shape == active.shape == (2, 2) and made.shape == (2, 2, 16, 7)
    assert (error < 0.2).all() and (active > 0).all()
    shares = cl.path_shares(two, start, writes[0], writes[1][:, 6] > 0, axis=6)
    torch.testing.assert_close(sum(shares), torch.ones(2, 2))


def by_hand(*, skip: bool) -> cl.Replacement:
    """The network itself as a PLT, or a CLT of which layer 0 looks up the four inputs."""
    layers = cl.boolean_network()
    if not skip:
        return cl.Replacement(
            [layer.W_in for layer in layers],
            [layer.b_in for layer in layers],
            {(i, i): layer.W_out for i, layer in enumerate(layers)},
            [torch.zeros(7)] * 2,
        )
    start = cl.truth_table()
    rows = start[cl.run_network(layers, start)[1][1][:, 6] > 0]
    table, written = torch.zeros(4, 7), torch.zeros(1, 7)
    table[:, 6] = 1
    return cl.Replacement(
        [rows.T, torch.zeros(7, 1)],
        [torch.full((4,), -3.0), torch.zeros(1)],
        {(0, 0): torch.zeros(4, 7), (0, 1): table, (1, 1): written},
        [torch.zeros(7)] * 2,
    )


@pytest.mark.parametrize("skip", [False, True])
def test_paths_of_what_was_built_by_hand(toy, skip):
    start, _, writes = toy
    found = cl.path_shares(by_hand(skip=skip), start, writes[0], writes[1][:, 6] > 0, axis=6)
    assert [float(each) for each in found] == ([1, 0, 0] if skip else [0, 0, 1])


@pytest.mark.parametrize("pairs", [[(1, 0)], [(0, 2)]])
def test_a_pair_that_cannot_be(toy, pairs):
    _, reads, writes = toy
    with pytest.raises(ValueError, match="reads at"):
        cl.train_replacements(reads, writes, pairs=pairs, penalties=torch.ones(1), seeds=[0])
