"""How well a colour is seen on another, and the text colours in a piece of HTML."""

import re

# JupyterLab's own grounds and inks, where a piece of HTML sets none.
THEMES = {"light": ("white", "#212121"), "dark": ("#111111", "#e0e0e0")}
NAMED = {"white": "#ffffff", "black": "#000000"}


def luminance(colour: str) -> float:
    """Relative luminance of `#rgb` or `#rrggbb`, as WCAG 2 defines it."""
    digits = NAMED.get(colour, colour).lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """From 1 (the same) to 21 (black on white)."""
    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


def text_contrasts(code: str) -> list[tuple[str, float]]:
    """(style, lowest contrast in both themes) of each element that sets a colour or a ground.

    What stands within another element is on its ground: here grounds do not nest.
    """
    found, ground, ink = [], None, None
    for style in re.findall(r"style=[\"']([^\"']*)", code):
        rules = dict(re.findall(r"(?:^|;)\s*(color|background)\s*:\s*(#\w+|white|black)", style))
        ground, ink = rules.get("background", ground), rules.get("color", ink)
        if rules:
            pairs = [(ground or page, ink or text) for page, text in THEMES.values()]
            found.append((style, min(contrast(*pair) for pair in pairs)))
    return found
