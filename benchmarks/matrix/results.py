"""Results of the matrix beside its peers, kept as JSON, shown as Markdown and as a plot.

Belongs here: the file, the tables and the drawing. Does not belong here: measuring.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT = Path(__file__).with_name("results.json")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 420, 70, 30, 190, 60
COLOURS = ("#0b6e4f", "#7a9e9f", "#c1440e", "#3d5a80", "#8e6c8a", "#b08900")


@dataclass(frozen=True)
class Result:
    """One contender at one shape. events: pair occurrences; costs are medians, None where it did not run (why_not)."""

    shape: str
    words: str
    lines: int
    items: int
    events: int
    contender: str
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
    peak_mb: float | None = None
    pairs: int | None = None
    agrees: str = ""
    hit_rate: str = ""
    why_not: str = ""


def keep(results: Sequence[Result], path: Path = KEPT) -> list[Result]:
    """Adds results to the kept ones, in place of earlier ones of the same shape and contender; returns all."""
    new = {(one.shape, one.contender) for one in results}
    all_results = [*(one for one in load(path) if (one.shape, one.contender) not in new), *results]
    all_results.sort(key=lambda one: (one.events, one.shape, not one.contender.startswith("reco"), one.contender))
    path.write_text(json.dumps([asdict(one) for one in all_results], indent=1) + "\n", encoding="utf-8")
    return all_results


def load(path: Path = KEPT) -> list[Result]:
    """The kept results; none where there is no file."""
    return [Result(**one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def markdown(results: Sequence[Result]) -> Iterator[str]:
    """A table of all results."""
    yield "| orders | contender | CPU s | wall s | peak MB | against our lists | HR@10 |"
    yield "|---|---|---|---|---|---|---|"
    shape = ""
    for one in results:
        what = (
            f"**{one.shape}**: {one.words}; {one.lines:,} lines, {one.items:,} items, {one.events:,} pair occurrences"
        )
        if one.pairs is not None:
            what += f", {one.pairs:,} pairs"
        first = what if one.shape != shape else ""
        shape = one.shape
        if one.cpu_seconds is None:
            yield f"| {first} | {one.contender} | {one.why_not} | | | | |"
            continue
        yield (
            f"| {first} | {one.contender} | {one.cpu_seconds:.2f} | {one.wall_seconds:.2f} | {one.peak_mb:,.0f} "
            f"| {one.agrees} | {one.hit_rate} |"
        )


def draw(results: Sequence[Result], path: Path) -> None:
    """CPU seconds over pair occurrences, both logarithmic, a line a contender, with a dashed line of linear growth."""
    measured = [one for one in results if one.cpu_seconds]
    if not measured:
        return
    names = sorted({one.contender for one in measured})
    xs, ys = [one.events for one in measured], [one.cpu_seconds or 1 for one in measured]
    low_x, high_x = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
    low_y, high_y = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def place(events: float, seconds: float) -> tuple[float, float]:
        across = (math.log10(events) - low_x) / max(1, high_x - low_x)
        up = (math.log10(seconds) - low_y) / max(1, high_y - low_y)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts: list[str] = []
    parts.append(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" role="img"><title>CPU seconds over pair occurrences</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    )
    for power in range(low_x, high_x + 1):
        (x, bottom), (_, top) = place(10**power, 10**low_y), place(10**power, 10**high_y)
        parts += [_line(x, bottom, x, top, "#ddd"), _text(x, bottom + 18, f"10^{power}", "middle")]
    for power in range(low_y, high_y + 1):
        (left, y), (right, _) = place(10**low_x, 10.0**power), place(10**high_x, 10.0**power)
        parts += [_line(left, y, right, y, "#ddd"), _text(left - 8, y + 4, f"{10.0**power:g}", "end")]
    parts.append(_text(place(10 ** ((low_x + high_x) / 2), 10**low_y)[0], HEIGHT - 15, "pair occurrences", "middle"))
    parts.append(_text(LEFT - 50, TOP - 12, "CPU seconds, whole process", "start"))
    reach = min(high_x - low_x, high_y - low_y)
    parts.append(
        _line(*place(10**low_x, 10**low_y), *place(10 ** (low_x + reach), 10 ** (low_y + reach)), "#999", "5 5")
    )
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        points = [place(one.events, one.cpu_seconds or 1) for one in measured if one.contender == name]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        parts += [_line(WIDTH - 175, TOP + 20 * number, WIDTH - 155, TOP + 20 * number, colour, width=2)]
        parts.append(_text(WIDTH - 148, TOP + 20 * number + 4, name, "start"))
    under = TOP + 20 * len(names)
    parts += [
        _line(WIDTH - 175, under, WIDTH - 155, under, "#999", "5 5"),
        _text(WIDTH - 148, under + 4, "linear", "start"),
    ]
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _line(x: float, y: float, x2: float, y2: float, colour: str, dash: str = "", width: int = 1) -> str:  # noqa: PLR0917 - as SVG has them
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashes}/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{words}</text>'
