"""The charts of the report page as inline SVG.

Belongs here: drawing a few figures, accessible and without any script. Does not belong here: choosing them. Every text
is escaped here: file names and reasons come from outside.
"""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

_WIDTH = 920


def score_chart(points: Sequence[tuple[str, float]], *, each: str) -> str:
    """The quality score over time: label and score (0..100) of each point, oldest first."""
    height, left, right, top, bottom = 220, 52, 20, 16, 34
    lowest = min(min((score for _, score in points), default=100.0) // 10 * 10, 90.0)
    step = (_WIDTH - left - right) / max(len(points) - 1, 1)

    def x(place: int) -> float:
        return left + step * place if len(points) > 1 else (_WIDTH + left - right) / 2

    def y(score: float) -> float:
        return top + (height - top - bottom) * (100 - score) / (100 - lowest)

    parts = []
    for tick in (lowest, (lowest + 100) / 2, 100.0):
        parts.append(f'<line class="grid" x1="{left}" x2="{_WIDTH - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    line = " ".join(f"{x(i):.1f},{y(score):.1f}" for i, (_, score) in enumerate(points))
    parts.append(f'<polyline class="line" points="{line}"/>')
    for i, (label, score) in enumerate(points):
        tip = f"<title>{escape(label)}: {score:.2f}</title>"
        parts.append(f'<circle class="dot" cx="{x(i):.1f}" cy="{y(score):.1f}" r="4">{tip}</circle>')
    if points:
        ends = [(0, "start")] if len(points) > 1 else [(0, "middle")]
        ends += [(len(points) - 1, "end")] if len(points) > 1 else []
        parts += [
            f'<text class="tick" x="{x(i):.1f}" y="{height - 10}" text-anchor="{anchor}">'
            f"{escape(short(points[i][0], 48))}</text>"
            for i, anchor in ends
        ]
    if len(points) > 2:
        low = min(range(len(points)), key=lambda i: points[i][1])
        if 0 < low < len(points) - 1 and points[low][1] < 100:
            label = f"lowest {points[low][1]:.2f}: {short(points[low][0], 48)}"
            anchor = "start" if low < len(points) / 3 else "end" if low > len(points) * 2 / 3 else "middle"
            at = y(points[low][1]) + 20
            parts.append(
                f'<text class="tick" x="{x(low):.1f}" y="{at:.1f}" text-anchor="{anchor}">{escape(label)}</text>'
            )
    words = f"Quality score of each {each}, oldest first; lowest {min((s for _, s in points), default=100.0):.2f}"
    return _svg(height, words, parts)


def bar_chart(bars: Sequence[tuple[str, int, str]], *, words: str) -> str:
    """Counts as horizontal bars: name, count and class of each."""
    row, left = 26, 210
    most = max((count for _, count, _ in bars), default=1)
    parts = []
    for i, (name, count, kind) in enumerate(bars):
        width = max(2.0, (_WIDTH - left - 110) * count / most)
        at = i * row + 4
        parts.append(f'<text class="name" x="{left - 10}" y="{at + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="{escape(kind)}" x="{left}" y="{at}" width="{width:.1f}" height="18" rx="2"/>')
        parts.append(f'<text class="name" x="{left + width + 8:.1f}" y="{at + 13}">{count:,}</text>')
    return _svg(row * len(bars) + 8, words, parts)


def lineage_chart(
    drops: Sequence[tuple[str, str]], snapshots: Sequence[tuple[str, str]], links: Mapping[str, str | None]
) -> str:
    """Which drop first came into which snapshot.

    drops and snapshots: key and label, in the order to be drawn; links: the snapshot of each drop, None where it is in
    none.
    """
    row, width = 30, 350
    right = _WIDTH - width
    rows = max(len(drops), len(snapshots), 1)

    def places(count: int) -> list[float]:
        return [20 + row * rows * (i + 0.5) / count for i in range(count)]

    at_drop = dict(zip((key for key, _ in drops), places(max(len(drops), 1)), strict=False))
    at_snapshot = dict(zip((key for key, _ in snapshots), places(max(len(snapshots), 1)), strict=False))
    parts = []
    for key, label in drops:
        y, target = at_drop[key], links.get(key)
        if target in at_snapshot:
            end, middle = at_snapshot[target], (width + right) / 2
            parts.append(
                f'<path class="link" d="M{width},{y:.1f} C{middle},{y:.1f} {middle},{end:.1f} {right},{end:.1f}"/>'
            )
        kind = "box" if target else "box apart"
        parts.append(_box(2, y, width - 2, label, kind))
    for before, after in pairwise(at_snapshot.values()):
        x = right + (_WIDTH - right) / 2
        parts.append(f'<path class="link next" d="M{x},{before + 11:.1f} L{x},{after - 11:.1f}"/>')
    parts += [_box(right, at_snapshot[key], width - 2, label, "box strong") for key, label in snapshots]
    return _svg(int(row * rows + 40), "Lineage: each drop and the first snapshot it became part of", parts)


def _box(x: float, y: float, width: float, label: str, kind: str) -> str:
    return (
        f'<g><title>{escape(label)}</title><rect class="{kind}" x="{x}" y="{y - 11:.1f}" width="{width}" height="22" '
        f'rx="4"/><text class="name" x="{x + 10}" y="{y + 4:.1f}">{escape(short(label, 46))}</text></g>'
    )


def short(text: str, most: int) -> str:
    """A text with its middle left out where it is too long; start and end tell names apart."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"


def _svg(height: int, words: str, parts: Sequence[str]) -> str:
    return (
        f'<div class="scroll"><svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(words)}">'
        f"<title>{escape(words)}</title>{''.join(parts)}</svg></div>"
    )
