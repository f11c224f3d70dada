"""Bad input to public functions: no silent wrong number, and our own sentence before a raw error.

Each module in `tests/bad_input` has the ROWS of one room: what is bad about the input, a call, and
a part of the sentence that it must get. Where the part is RAW, Python's or torch's own error is
clear enough.
"""

import importlib
import re
import traceback
from pathlib import Path

import pytest

from tests.bad_input import RAW

ROOT = Path(__file__).resolve().parents[1]
ROOMS = sorted(p.stem for p in (ROOT / "tests" / "bad_input").glob("[a-z]*.py"))
ROWS = {
    f"{room}: {what}": (call, part)
    for room in ROOMS
    for what, call, part in importlib.import_module(f"tests.bad_input.{room}").ROWS
}


def test_there_are_enough_and_most_are_clear():
    raw = [what for what, (_, part) in ROWS.items() if part is RAW]
    assert len(ROWS) >= 300 and len(raw) < len(ROWS) / 10, raw
    n_rows = sum(len(importlib.import_module(f"tests.bad_input.{room}").ROWS) for room in ROOMS)
    assert n_rows == len(ROWS), "two rows have one name"


@pytest.mark.bad_input
@pytest.mark.parametrize("what", ROWS)
def test_bad_input_gets_a_clear_error(what):
    call, part = ROWS[what]
    with pytest.raises(Exception) as caught:  # noqa: PT011: the rows say which
        call()
    if part is RAW:
        return
    assert isinstance(caught.value, (ValueError, TypeError, OSError, NotImplementedError))
    raised_in = Path(traceback.extract_tb(caught.tb)[-1].filename)
    ours = [ROOT / "utils", ROOT / "data"]
    assert any(folder in raised_in.parents for folder in ours), f"a raw error: {caught.value!r}"
    said = str(caught.value)
    assert part in said, said
    assert re.search(r"[.?!]$", said), f"a sentence ends: {said}"
