"""What is measured on a text: how likely it was."""

import math

import pytest
import torch

from tests.small_models import random_model
from utils.writing.fluency import token_losses

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
