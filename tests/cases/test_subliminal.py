"""utils.cases.subliminal: digits, many networks at once, and students that see noise."""

import torch

from utils.cases import subliminal


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_digits_are_split_and_of_one_brightness():
    data = subliminal.digits()
    assert data.x.shape == (1300, 64) and len(data.x_test) == len(data.y_test) == 497
    assert data.x.min() == -1 and data.x.max() == 1
    assert set(data.y_test.tolist()) == set(range(10))


def test_many_networks_give_what_each_gives():
    weights = subliminal.fresh([5, 7, 13], n=3, generator=seeded(0))
    x = torch.randn(4, 5, generator=seeded(1))
    together = subliminal.outputs(weights, x)
    for m in range(3):
        (W, b), (V, c) = [(W[m], b[m]) for W, b in weights]
        assert torch.allclose(together[m], (x @ W + b).relu() @ V + c, atol=1e-5)


def test_auxiliary_outputs_are_no_guesses():
    weights = subliminal.fresh([5, 12], n=2, generator=seeded(0))
    weights[-1][1][..., 10:] += 100
    x = torch.randn(6, 5, generator=seeded(1))
    assert subliminal.guesses(weights, x).max() < 10
    assert subliminal.digit_accuracy(weights, x, subliminal.guesses(weights, x)[0])[0] == 1


def test_networks_are_taught_as_if_alone():
    data = subliminal.digits()
    weights = subliminal.fresh([64, 16, 13], n=2, generator=seeded(0))
    how = {"steps": 30, "lr": 3e-3}
    both = subliminal.taught(weights, data.x, data.y, generator=seeded(1), **how)
    alone = subliminal.taught(
        [tuple(w[1:] for w in layer) for layer in weights],
        data.x,
        data.y,
        generator=seeded(1),
        **how,
    )
    assert torch.allclose(both[0][0][1], alone[0][0][0], atol=1e-4)
    accuracy = subliminal.digit_accuracy(both, data.x_test, data.y_test)
    assert (accuracy > subliminal.digit_accuracy(weights, data.x_test, data.y_test) + 0.2).all()


def test_a_student_comes_closer_and_its_beginning_stays():
    student, teacher = (
        subliminal.fresh([6, 8, 14], n=2, generator=seeded(seed)) for seed in (0, 1)
    )
    before = [tuple(w.clone() for w in layer) for layer in student]
    noise = seeded(2)
    new = subliminal.distilled(
        student, teacher, lambda: torch.randn(32, 6, generator=noise), steps=200, lr=1e-2
    )
    x = torch.randn(100, 6, generator=seeded(3))
    far, near = (
        subliminal.auxiliary_loss(subliminal.outputs(w, x), subliminal.outputs(teacher, x))
        for w in (student, new)
    )
    assert (near < far / 3).all()
    assert all(
        torch.equal(a, b)
        for old, now in zip(before, student, strict=True)
        for a, b in zip(old, now, strict=True)
    )


def test_joined_networks_have_three_origins():
    a, b, c = (subliminal.fresh([3, 4, 12], n=2, generator=seeded(seed)) for seed in range(3))
    W, bias = subliminal.joined(a, b, c)[-1]
    assert torch.equal(W[..., :10], b[-1][0][..., :10]) and torch.equal(
        W[..., 10:], c[-1][0][..., 10:]
    )
    assert bias.shape == (2, 1, 12) and subliminal.joined(a, b, c)[0] is a[0]
