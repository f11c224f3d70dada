"""Rows of bad input, a module a room; see `tests/test_bad_input.py`."""

RAW = None
