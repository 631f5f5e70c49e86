"""Matplotlib figures, saved as PNG and SVG. The palette suits colour-blind readers, and markers repeat the colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from fathom.errors import require
from fathom.metrics.intervals import Interval

_MARK: dict[str, Any] = {"color": "black", "linewidth": 1.2, "linestyle": (0, (3, 2))}
COLOURS = ("#4C72B0", "#DD8452", "#55A868", "#8172B3", "#937860", "#DA8BC3", "#8C8C8C", "#64B5CD")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")

Panel = Mapping[str, Sequence[Interval]]
"""Maps each group on the horizontal axis to one value per series."""


def grouped_bars(
    panels: Mapping[str, Panel],
    series: Sequence[str],
    path: Path,
    *,
    marks: Mapping[str, Mapping[str, float]] | None = None,
    share: bool = True,
    legend: str = "",
) -> list[Path]:
    """Grouped bars with 95 % intervals, one panel per title. Returns the files written, `path` with .png and .svg.

    `panels[title][group][s]` is the value of series s. `marks[title][group]` is a line across the group, such as a
    ceiling, named `legend`. With `share`, the vertical axis runs from 0 to 1.
    """
    plt = _pyplot()
    width = max(4.2, *map(len, panels.values()))  # an inch per group leaves room for its name
    figure, axes = plt.subplots(1, len(panels), figsize=(width * len(panels), 3.6), squeeze=False, layout="constrained")
    for axis, (title, groups) in zip(axes[0], panels.items(), strict=True):
        _bars(axis, groups, len(series))
        for place, (_, height) in enumerate((marks or {}).get(title, {}).items()):
            axis.plot([place - 0.42, place + 0.42], [height, height], **_MARK)
        axis.set_title(title, fontsize=11)
        axis.set_xticks(range(len(groups)), [fill(name, 12, break_long_words=False) for name in groups])
        if share:
            axis.set_ylim(0, 1.05)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour, _ in zip(COLOURS, series, strict=False)]
    names = list(series)
    if marks:
        handles.append(plt.Line2D([], [], **_MARK))
        names.append(legend)
    _legend(figure, handles, names)
    return save(figure, path)


def _bars(axis: Any, groups: Panel, series: int) -> None:
    width = 0.8 / series
    for index in range(series):
        values = [group[index] for group in groups.values()]
        places = [place - 0.4 + width * (index + 0.5) for place in range(len(groups))]
        reach = [[v.mean - v.low for v in values], [v.high - v.mean for v in values]]
        means = [v.mean for v in values]
        axis.bar(places, means, width * 0.94, color=COLOURS[index], yerr=reach, capsize=2, error_kw={"linewidth": 0.9})


Line = Sequence[tuple[float, Interval]]
"""Points from left to right: x, and y with its interval."""


def lines(
    panels: Mapping[str, Mapping[str, Line]],
    path: Path,
    *,
    across: str,
    up: str,
    marks: Mapping[str, float] | None = None,
    legend: str = "",
) -> list[Path]:
    """One line per series with 95 % intervals, one panel per title. Returns the files written.

    The horizontal axis is logarithmic with base 2. Lines have different markers as well as colours. `marks[title]` is a
    horizontal line across a panel, such as a ceiling, named `legend`.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(panels), figsize=(4.8 * len(panels), 3.8), squeeze=False, layout="constrained")
    for axis, (title, series) in zip(axes[0], panels.items(), strict=True):
        for index, (name, line) in enumerate(series.items()):
            middle = [value.mean for _, value in line]
            reach = [[value.mean - value.low for _, value in line], [value.high - value.mean for _, value in line]]
            style = {"color": COLOURS[index], "marker": MARKERS[index], "capsize": 2, "elinewidth": 0.9}
            axis.errorbar([x for x, _ in line], middle, yerr=reach, label=name, **style)
        if marks and title in marks:
            axis.axhline(marks[title], label=legend, **_MARK)
        axis.set_title(title, fontsize=11)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel(across)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel(up)
    handles, names = axes[0][0].get_legend_handles_labels()
    _legend(figure, handles, names)
    return save(figure, path)


def _legend(figure: Any, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Below the panels, in as many columns as fit into the figure's width."""
    column = 0.65 + 0.07 * max(map(len, names))  # inches: the sample of a colour or marker, and the letters
    columns = min(len(names), max(1, int(figure.get_figwidth() / column)))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)


def save(figure: Any, path: Path) -> list[Path]:
    """Write `path`.png and `path`.svg without a date, so that equal figures are equal files. Returns both paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.savefig(written[0], dpi=150, metadata={"Software": None})
    figure.savefig(written[1], metadata={"Date": None})
    _pyplot().close(figure)
    return written


def _pyplot() -> Any:
    matplotlib = require("matplotlib", "report")
    matplotlib.use("Agg")
    plt = require("matplotlib.pyplot", "report")
    plt.rcParams.update({"svg.hashsalt": "fathom", "font.size": 9})
    return plt
