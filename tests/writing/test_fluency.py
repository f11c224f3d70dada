"""What is measured on a text: likelihood and repetition."""

import math

import pytest
import torch

from tests.small_models import random_model
from utils.writing.fluency import repetition, token_losses, zlib_ratio

PROMPT = torch.tensor([[0, 5, 9]])


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return random_model("llama", tmp_path_factory.mktemp("llama"))


def test_losses_are_those_of_the_written_tokens(llama):
    written = torch.tensor([[7, 3], [2, 2], [1, 30]])
    with torch.no_grad():
        log_probs = llama(torch.cat([PROMPT.expand(3, -1), written], 1)).log_softmax(-1)
    right = torch.stack([-log_probs[:, 2 + i].gather(1, written[:, [i]])[:, 0] for i in (0, 1)], 1)
    for batch_size in (1, 2, 16):
        losses = token_losses(llama, PROMPT.expand(3, -1), written, batch_size=batch_size)
        torch.testing.assert_close(losses, right, atol=1e-4, rtol=0)
    assert losses.mean() < 3 * math.log(40)


def test_repetition_counts_what_came_before():
    rows = torch.tensor([[1, 2, 1, 2, 1], [1, 2, 3, 4, 5], [1, 1, 1, 1, 1]])
    torch.testing.assert_close(repetition(rows, n=2), torch.tensor([0.5, 0.0, 0.75]))
    torch.testing.assert_close(repetition(rows, n=3), torch.tensor([1 / 3, 0.0, 2 / 3]))


def test_zlib_ratio_falls_with_repetition():
    ratios = zlib_ratio(["the sea was grey and the boat was old " * 1, "sea " * 10, ""])
    assert ratios[1] < ratios[0] and ratios.isfinite().all()
