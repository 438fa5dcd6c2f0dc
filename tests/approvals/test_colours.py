"""Texts of the page can be read by everybody: WCAG 2 asks for a contrast of 4.5 at least."""

import re
from pathlib import Path

import pytest

from milepost.gateway import pages

STYLE = (Path(pages.__file__).parent / "style.css").read_text(encoding="utf-8")
PAIRS = [
    ("ink", "paper"), ("ink", "ground"), ("quiet", "paper"), ("quiet", "ground"), ("accent", "paper"),
    ("accent-ink", "accent"), ("good", "good-ground"), ("bad", "bad-ground"), ("bad", "paper"), ("good", "paper"),
    ("note", "note-ground"),
]  # fmt: skip


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))


LIGHT, DARK = [colours(block) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)]


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_contrast(theme: str, ink: str, ground: str) -> None:
    found = LIGHT if theme == "light" else DARK
    assert contrast(found[ink], found[ground]) >= 4.5


def test_both_themes_have_every_colour() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert {name for pair in PAIRS for name in pair} == LIGHT.keys() - {"line"}
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#ffffff", "#808080") < 4.5
