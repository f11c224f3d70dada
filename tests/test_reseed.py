"""Lessons at other seeds: what moves, what is counted, and that nothing stops the count."""

import random

import nbformat
import numpy as np
import pytest
import torch

from solutions import reseed
from solutions.make import LESSONS
from utils.stats import bootstrap

DRAWS = {
    "a generator": lambda: torch.rand(1, generator=torch.Generator().manual_seed(7)).item(),
    "a generator as it comes": lambda: torch.rand(1, generator=torch.Generator()).item(),
    "torch": lambda: [torch.manual_seed(7), torch.rand(1).item()][1],
    "numpy": lambda: [np.random.seed(7), np.random.rand()][1],
    "numpy's generator": lambda: np.random.default_rng(7).random(),
    "random": lambda: [random.seed(7), random.random()][1],
    "a Random": lambda: random.Random(7).random(),
    "a function of the course": lambda: bootstrap(torch.arange(9.0)),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_every_kind_of_seed_moves_and_comes_back(kind):
    draw = DRAWS[kind]
    before = draw()
    with reseed.moved_seeds(100):
        moved = draw()
        assert moved == draw() != before
    assert draw() == before


LESSON = """
import torch
from utils.lesson import claim
draw = torch.Generator().manual_seed(0)
x = torch.rand(1, generator=draw).item()
assert x == x, "holds anyway"
---
claim("stays", 2.0, text=2.0, within=0.1)
for _ in range(2):
    claim("moves", x, text=0.496, within=0.001)
---
assert x < 0.5
raise KeyError(12)
---
claim("after a crash", 1.0, text=1.0, within=0.1)
"""


@pytest.fixture
def small(monkeypatch):
    cells = [nbformat.v4.new_code_cell(source) for source in LESSON.split("---\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    monkeypatch.setattr(reseed, "solved_notebook", lambda lesson: notebook)
    return LESSONS[0]


def test_claims_asserts_and_crashes_are_counted_and_not_stopped_at(small):
    found = reseed.run_moved(small, 0)
    assert set(found.claims) == {"stays", "moves", "moves (2)", "after a crash"}
    assert found.asserts == {"x == x": True, "x < 0.5": True}
    assert len(found.crashes) == 1 and found.crashes[0].startswith("KeyError: 12")
    assert found.outside() == set()


def test_what_hangs_on_the_seed_is_marked(small):
    seeds = [by for by in range(100, 130) if reseed.run_moved(small, by).outside()]
    runs = [reseed.run_moved(small, by) for by in seeds[:3]]
    lines = reseed.table(runs).splitlines()
    marks = {line.rsplit("  ", 1)[-1]: line[0] for line in lines[1:]}
    assert marks["moves"] == "!" and marks["stays"] == " "
    assert any("crashes at 3 of 3 seeds: KeyError: 12" in line for line in lines)
    n_outside = len(set().union(*(run.outside() for run in runs)))
    assert f"| {n_outside} | 1, 1, 1 |" in reseed.brief(small, runs)
