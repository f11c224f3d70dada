"""A lesson at other seeds: what of its findings hangs on the draw?

    python -m solutions.reseed 11            # claims of lesson 1.1 at three other seeds
    python -m solutions.reseed 11 --json F   # and the measurements as JSON in F

Every explicit seed of the lesson, of its functions and of the data that they draw is moved by the
same number; nothing else changes. Claims and asserts are counted and not stopped at.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch


@contextmanager
def moved_seeds(by: int) -> Iterator[None]:
    """Within it, whoever sets a seed sets that seed plus `by`: in torch, numpy and random."""

    class Generator(torch.Generator):
        def __init__(self, *args, **kwargs):
            self.manual_seed(0)

        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + by)

    class Random(random.Random):
        def seed(self, seed=None, version: int = 2) -> None:
            super().seed(seed + by if isinstance(seed, int) else seed, version)

    def moved(function):
        def call(seed=None, *args, **kwargs):
            return function(seed + by if isinstance(seed, int) else seed, *args, **kwargs)

        return call

    with (
        mock.patch.object(torch, "Generator", Generator),
        mock.patch.object(random, "Random", Random),
        mock.patch.object(torch, "manual_seed", moved(torch.manual_seed)),
        mock.patch.object(np.random, "seed", moved(np.random.seed)),
        mock.patch.object(np.random, "default_rng", moved(np.random.default_rng)),
        mock.patch.object(random, "seed", moved(random.seed)),
    ):
        yield
