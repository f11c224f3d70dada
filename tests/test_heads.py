"""utils.heads: random ones, and which numbers count as whole."""

import numpy as np
import pytest
import torch

from utils import guards, heads


def drawn(**settings):
    asked = {"layers": [0, 1], "n_heads": 3, "but": [(0, 0), (1, 2)]} | settings
    return heads.random_heads(3, generator=torch.Generator().manual_seed(0), **asked)


def test_random_heads_leave_out_what_they_are_told_to():
    """A tensor's entries are keys of their own: not one head was left out."""
    zero, one, two = torch.arange(3)
    assert len(set(drawn())) == 3 and not {(0, 0), (1, 2)} & set(drawn())
    assert drawn(but=iter([(zero, zero), (one, two)])) == drawn()
    assert drawn(layers=[0, 1, 1]) == drawn(layers=range(2)) == drawn()


@pytest.mark.parametrize("two", [2, np.int64(2), torch.tensor(2)])
def test_whole_numbers_of_any_make_are_counts(two):
    assert guards.count()(two, {}) is None
    assert "from 3" in guards.count(low=3)(two, {})
