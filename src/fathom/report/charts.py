"""Small SVG charts for pages. They use the page's CSS colours, so they are legible in light and dark themes.

    strip(Interval(0.71, 0.66, 0.76), marks={"longer": 0.55})

The page also shows all numbers of a chart as text. Text in charts is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log2

from markupsafe import Markup

from fathom.metrics.intervals import Interval

STRIP_WIDTH = 180
STRIP_HEIGHT = 18
CURVE_WIDTH = 560
CURVE_HEIGHT = 260
LEFT, RIGHT, TOP, BOTTOM = 36, 150, 12, 40
COLOURS = 6


def strip(
    interval: Interval, *, low: float = 0.0, high: float = 1.0, marks: Mapping[str, float] | None = None
) -> Markup:
    """A value with its interval on a line from `low` to `high`. Each of `marks` is a tick with a tooltip."""

    def across(value: float) -> float:
        return round(4 + (STRIP_WIDTH - 8) * (min(max(value, low), high) - low) / (high - low), 1)

    middle = STRIP_HEIGHT / 2
    parts = [_line("axis", 4, middle, STRIP_WIDTH - 4, middle)]
    parts += [_tick(name, across(value), middle) for name, value in (marks or {}).items()]
    parts.append(_line("reach", across(interval.low), middle, across(interval.high), middle))
    parts.append(_dot("point", across(interval.mean), middle))
    return _svg("strip", STRIP_WIDTH, STRIP_HEIGHT, str(interval), parts)


def shares(counts: Mapping[str, int], colours: Mapping[str, int]) -> Markup:
    """A bar divided in proportion to counts; `colours` maps each name to a colour number."""
    total = sum(counts.values())
    parts, left = [], 0.0
    for name, count in counts.items():
        width = STRIP_WIDTH * count / total
        hint = f"{name} {count / total:.0%}"
        parts.append(_BOX.format(left=round(left, 1), width=round(width, 1), colour=colours[name], hint=hint))
        left += width
    return _svg("shares", STRIP_WIDTH, STRIP_HEIGHT, ", ".join(f"{name} {counts[name]}" for name in counts), parts)


Point = tuple[float, Interval, str]
"""The x value (above 0, shown on a log scale), the y value with its interval, and the name."""


def curves(series: Mapping[str, Sequence[Point]], across: str) -> Markup:
    """Lines of points with intervals and a logarithmic x axis named `across`. The name of a line is at its end."""
    points = [point for line in series.values() for point in line]
    lowest = _floor(min(point[1].low for point in points))
    start, end = (log2(limit(point[0] for point in points)) for limit in (min, max))

    def at(place: float, interval: Interval) -> tuple[float, float]:
        x = LEFT + (CURVE_WIDTH - LEFT - RIGHT) * (log2(place) - start) / ((end - start) or 1.0)
        return round(x, 1), _height(interval.mean, lowest)

    parts = [*_scale(lowest), *_across(across, 2**start, 2**end)]
    heights = _apart([at(*line[-1][:2])[1] for line in series.values()])
    for colour, (name, line) in enumerate(series.items()):
        parts += _curve(line, [at(place, interval) for place, interval, _ in line], lowest, colour % COLOURS)
        parts.append(_text(name, CURVE_WIDTH - RIGHT + 14, heights[colour] + 4, "start", f"fill-{colour % COLOURS}"))
    return _svg("curves", CURVE_WIDTH, CURVE_HEIGHT, f"accuracy against {across}", parts)


def profile(points: Mapping[int, Interval], across: str) -> Markup:
    """Values from 0 to 1 with intervals, by whole numbers that `across` names, such as distances. 0 is marked."""
    first, last = min(points), max(points)
    end = CURVE_WIDTH - RIGHT
    step = (end - LEFT) / max(last - first, 1)

    def at(place: int) -> float:
        return round(LEFT + step * (place - first), 1)

    parts = [*_scale(0.0)]
    if first <= 0 <= last:
        parts.append(_line("mark", at(0), TOP, at(0), CURVE_HEIGHT - BOTTOM))
    places = sorted(points)
    path = " ".join(f"{at(place)},{_height(points[place].mean, 0.0)}" for place in places)
    parts.append(Markup('<polyline class="curve stroke-0" points="{}"/>').format(path))
    for place in places:
        value = points[place]
        parts.append(_line("whisker stroke-0", at(place), _height(value.low, 0.0), at(place), _height(value.high, 0.0)))
        parts.append(_dot("fill-0", at(place), _height(value.mean, 0.0)))
        parts.append(_text(f"{place:+d}" if place else "0", at(place), CURVE_HEIGHT - BOTTOM + 16, "middle"))
    parts.append(_text(across, (LEFT + end) / 2, CURVE_HEIGHT - 6, "middle"))
    return _svg("curves", end + LEFT, CURVE_HEIGHT, across, parts)


def diagram(bins: Iterable[tuple[float, float, int]], most: int) -> Markup:
    """A reliability diagram of (confidence, accuracy, rows): a calibrated judge is on the diagonal.

    The area of a dot grows with its share of `most` rows.
    """
    size, edge = 200, 24
    inner = size - 2 * edge
    parts = [_line("axis", edge, size - edge, size - edge, edge)]
    parts += [_line("axis", edge, size - edge, *end) for end in ((edge, edge), (size - edge, size - edge))]
    for x, anchor in ((edge, "start"), (size - edge, "end")):
        share = "0" if anchor == "start" else "1"
        parts.append(_text(share, x, size - 8, anchor))
    parts.append(_text("confidence", size / 2, size - 8, "middle"))
    parts.append(_text("accuracy", 2, edge - 8, "start"))
    for confidence, accuracy, rows in bins:
        radius = round(3 + 7 * (rows / most) ** 0.5, 1)
        hint = f"{rows} rows: confidence {confidence:.2f}, accuracy {accuracy:.2f}"
        across, up = edge + inner * confidence, size - edge - inner * accuracy
        parts.append(_BUBBLE.format(x=across, y=up, radius=radius, hint=hint))
    return _svg("diagram", size, size, "reliability diagram", parts)


# Parts ----------------------------------------------------------------------------------------------------------------

_BOX = Markup('<rect class="fill-{colour}" x="{left}" y="2" width="{width}" height="14"><title>{hint}</title></rect>')
_BUBBLE = Markup('<circle class="bubble" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{hint}</title></circle>')


def _svg(kind: str, width: int, height: int, label: str, parts: Iterable[Markup]) -> Markup:
    shape = Markup('<svg class="{}" role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}">')
    return shape.format(kind, label, width, height, width, height) + Markup("").join(parts) + Markup("</svg>")


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)


def _dot(kind: str, x: float, y: float) -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}" r="4"/>').format(kind, x, y)


def _tick(name: str, x: float, middle: float) -> Markup:
    mark = Markup('<line class="mark" x1="{}" y1="{}" x2="{}" y2="{}"><title>{}</title></line>')
    return mark.format(x, middle - 6, x, middle + 6, name)


def _text(text: str, x: float, y: float, anchor: str = "start", kind: str = "note") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def _floor(value: float) -> float:
    """The value rounded down to a tenth."""
    return max(0.0, int(value * 10) / 10)


def _height(value: float, lowest: float) -> float:
    return round(CURVE_HEIGHT - BOTTOM - (CURVE_HEIGHT - TOP - BOTTOM) * (value - lowest) / (1 - lowest), 1)


def _scale(lowest: float) -> Iterable[Markup]:
    for tenth in range(round(lowest * 10), 11):
        height = _height(tenth / 10, lowest)
        yield _line("axis", LEFT, height, CURVE_WIDTH - RIGHT, height)
        yield _text(f"{tenth / 10:.1f}", LEFT - 8, height + 4, "end")


def _across(name: str, start: float, end: float) -> Iterable[Markup]:
    below = CURVE_HEIGHT - BOTTOM + 16
    yield _text(f"{start:,.0f}", LEFT, below, "middle")
    yield _text(f"{end:,.0f}", CURVE_WIDTH - RIGHT, below, "middle")
    yield _text(name, (LEFT + CURVE_WIDTH - RIGHT) / 2, CURVE_HEIGHT - 6, "middle")


def _curve(
    line: Sequence[Point], places: Sequence[tuple[float, float]], lowest: float, colour: int
) -> Iterable[Markup]:
    path = " ".join(f"{x},{y}" for x, y in places)
    yield Markup('<polyline class="curve stroke-{}" points="{}"/>').format(colour, path)
    for (x, y), (_, interval, note) in zip(places, line, strict=True):
        yield _line(f"whisker stroke-{colour}", x, _height(interval.low, lowest), x, _height(interval.high, lowest))
        yield _dot(f"fill-{colour}", x, y)
        yield _text(note, x + 6, y - 7)


def _apart(heights: Sequence[float], least: float = 16) -> list[float]:
    """The y positions of labels, moved down until they do not overlap."""
    placed = list(heights)
    lowest = float("-inf")
    for place in sorted(range(len(placed)), key=placed.__getitem__):
        placed[place] = lowest = max(placed[place], lowest + least)
    return placed
