"""What the recipes in this folder share."""

import json
from pathlib import Path


def rounded(value):
    """The same with numbers of 4 decimals, to keep the JSON files short."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def write_json(path: Path, value: dict) -> None:
    """One top-level key a line, so that a change shows up where it happened."""
    lines = (f"{json.dumps(key)}: {json.dumps(rounded(item))}" for key, item in value.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
