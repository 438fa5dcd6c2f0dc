"""A contract's picture as SVG: layers from left to right, a box a milestone, an arrow a dependency.

No library draws it: the layers are known, and a picture in a contract's appendix must be the same bytes on every
machine.
"""

import textwrap
from html import escape
from typing import NamedTuple

from milepost.contract.picture import Arrow, Box, Picture

__all__ = ["as_svg"]

WIDTH, GAP_X, GAP_Y, PAD, LINE = 280, 90, 24, 12, 17
CHARACTERS = 40  # of a line in a box, at 12 px
HEAD = 48

_STYLE = (
    "text{font:12px sans-serif;fill:#1c2733}.h{font-weight:700;font-size:13px}.m{fill:#0b6b3a;font-weight:600}"
    ".t{font-size:16px;font-weight:700}rect{fill:#f6f8fa;stroke:#57606a}path{fill:none;stroke:#57606a}"
    ".l{font-size:11px;fill:#57606a}"
)

_HEAD_OF_ARROWS = (
    '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0L8 4L0 8z" style="fill:#57606a"/></marker></defs>'
)


class _Placed(NamedTuple):
    box: Box
    x: int
    y: int
    height: int
    lines: list[tuple[str, str]]  # class, text


def as_svg(picture: Picture) -> str:
    """One SVG document, UTF-8, with a title for those who cannot see it."""
    placed = _place(picture)
    width = max((one.x + WIDTH for one in placed.values()), default=WIDTH) + PAD
    height = max((one.y + one.height for one in placed.values()), default=HEAD) + PAD
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(picture.title)}</title><style>{_STYLE}</style>",
        _HEAD_OF_ARROWS,
        f'<text class="t" x="{PAD}" y="28">{escape(picture.title)}</text>',
        *(_box(one) for one in placed.values()),
        *(_arrow(arrow, placed) for arrow in picture.arrows),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _place(picture: Picture) -> dict[str, _Placed]:
    below: dict[int, int] = {}
    placed: dict[str, _Placed] = {}
    for box in picture.boxes:
        lines = [("h", line) for line in _wrapped(box.title)] + [("m", line) for line in _wrapped(box.money)]
        lines += [("", line) for condition in box.conditions for line in _wrapped(f"· {condition}")]
        height = PAD * 2 + LINE * len(lines)
        y = below.get(box.layer, HEAD)
        placed[box.key] = _Placed(box, PAD + box.layer * (WIDTH + GAP_X), y, height, lines)
        below[box.layer] = y + height + GAP_Y
    return placed


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, CHARACTERS, break_long_words=True) or [""]


def _box(one: _Placed) -> str:
    texts = "".join(
        f'<text class="{style}" x="{one.x + PAD}" y="{one.y + PAD + LINE * (place + 1) - 4}">{escape(line)}</text>'
        for place, (style, line) in enumerate(one.lines)
    )
    return f'<rect x="{one.x}" y="{one.y}" width="{WIDTH}" height="{one.height}" rx="6"/>{texts}'


def _arrow(arrow: Arrow, placed: dict[str, _Placed]) -> str:
    source, target = placed[arrow.source], placed[arrow.target]
    x1, y1 = source.x + WIDTH, source.y + source.height // 2
    x2, y2 = target.x, target.y + target.height // 2
    middle = (x1 + x2) // 2
    label = f'<text class="l" x="{x2 - GAP_X + 6}" y="{y2 - 6}">{escape(arrow.label)}</text>' if arrow.label else ""
    return f'<path d="M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}" marker-end="url(#a)"/>{label}'
