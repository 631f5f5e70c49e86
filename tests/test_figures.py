"""Figures show everything that they are given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fathom.metrics.intervals import Interval
from fathom.report.figures import COLOURS, grouped_bars, lines

HALF = Interval(0.5, 0.4, 0.6)


def colours(figure: Path) -> set[str]:
    return {colour.upper() for colour in re.findall("#[0-9a-f]{6}", figure.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("count", [1, len(COLOURS)])
def test_every_line_is_drawn(count: int, tmp_path: Path) -> None:
    panels = {"panel": {f"series {number}": [(1.0, HALF), (2.0, HALF)] for number in range(count)}}
    lines(panels, tmp_path / "figure", across="x", up="y")
    assert colours(tmp_path / "figure.svg") >= set(COLOURS[:count])


def test_more_lines_than_colours_are_refused(tmp_path: Path) -> None:
    panels = {"panel": {f"series {number}": [(1.0, HALF)] for number in range(len(COLOURS) + 1)}}
    with pytest.raises(IndexError):
        lines(panels, tmp_path / "figure", across="x", up="y")


def test_names_of_groups_have_room_and_the_legend_is_no_wider_than_the_figure(tmp_path: Path) -> None:
    def drawn(groups: int, series: int) -> tuple[float, list[float]]:
        """The width of the figure, and where the names in its legend begin."""
        names = [f"a series with a long name, {number}" for number in range(series)]
        grouped_bars({"panel": {f"group {number}": [HALF] * series for number in range(groups)}}, names, tmp_path / "f")
        text = (tmp_path / "f.svg").read_text(encoding="utf-8")
        [width] = re.findall(r'viewBox="0 0 ([\d.]+) ', text)
        legend = text[text.index('id="legend_1"') :]
        return float(width), [float(place) for place in re.findall(r"translate\((-?[\d.]+) -?[\d.]+\) scale", legend)]

    assert drawn(groups=8, series=1)[0] > drawn(groups=2, series=1)[0]
    width, places = drawn(groups=2, series=6)
    assert places
    assert min(places) > 0
    assert max(places) < width
