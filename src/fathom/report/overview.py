"""One page on one or several runs: how often the judge was right, by what margin, on what, and at which cost.

    write(gather([runs.open("verdicts.jsonl")]), Path("report.html"))

The page needs nothing beside it and loads nothing. It shows figures, names and settings, and of what models wrote only
principles and errors, escaped. With the viewers of its runs inside it, it also shows every row; its only script opens
them. Equal runs make equal pages.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from fathom.bench import find
from fathom.data.atomic import atomic_write
from fathom.metrics.baselines import RULES
from fathom.metrics.calibration import Calibration
from fathom.metrics.intervals import Interval
from fathom.metrics.principles import Principle
from fathom.metrics.rankings import RankingTally
from fathom.metrics.verdicts import Tally
from fathom.report import charts, viewer
from fathom.report.cards import Card
from fathom.report.evidence import Evidence
from fathom.report.viewer import policy, web
from fathom.results.outputs import marked
from fathom.results.rows import count_text

FILES = ("common.css", "report.css")
STRUCTURES = {"breadth": 0, "depth": 1, "hybrid": 2, "vanilla": 3}
"""And the number of its colour."""
STYLES = ("concise", "detailed", "detailed, Markdown")
MAX_PRINCIPLES = 15
MIN_ROWS = 5
"""A principle in fewer rows is in no table."""
MAX_ERRORS = 5
ERROR_SHOWN = 200
"""Characters."""


def write(found: Sequence[Evidence], out: Path, **beside: Any) -> None:
    """`beside` is what `page` takes beside the evidence."""
    with atomic_write(out) as file:
        file.write(marked(page(found, **beside).encode(), "report"))


def page(found: Sequence[Evidence], *, viewers: Mapping[str, str] | None = None, cards: Sequence[Card] = ()) -> str:
    """`viewers` are pages of `fathom.report.viewer`, by the names of runs. They go into this page."""
    style, script = Markup("".join(map(web, FILES))), Markup(web("report.js"))
    allowed = policy([style])
    if viewers:
        # A page in a frame has its own policy and the report's, so that the report's must allow what the viewer runs.
        allowed = policy([style, viewer.own_style()], [script, viewer.own_script()]) + "; frame-src blob:"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "strip": charts.strip,
        "bounds": _bounds,
        "percent": "{:.0%}".format,
        "thousands": "{:,}".format,
    }
    environment.globals |= _names() | {"viewers": viewers or {}, "link": partial(_link, viewers or {})}
    template = environment.from_string(web("report.html.jinja"))
    packed = {name: _packed(text) for name, text in (viewers or {}).items()}
    return template.render(found=found, cards=cards, style=style, script=script, packed=packed, policy=allowed)


def _packed(text: str) -> Markup:
    """Base 64 of gzip, without its time: no character of it can end the element it stands in, and equal pages agree."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode())


def _names() -> dict[str, Any]:
    """What the template speaks of."""
    return {
        "find": find,
        "rules": RULES,
        "structures": STRUCTURES,
        "style_names": STYLES,
        "most_errors": MAX_ERRORS,
        "error_shown": ERROR_SHOWN,
        "enumerated": enumerate,
        "groups": _groups,
        "best_rule": _best_rule,
        "rule_means": _rule_means,
        "several_votes": lambda judged: any(len(each.votes) > 1 for each in judged),
        "votes_chart": _votes_chart,
        "structured": lambda judged: any(each.scored.verdicts["all"].structure for each in judged),
        "shares_of": lambda counts: charts.shares(
            {name: counts[name] for name in STRUCTURES if counts[name]}, STRUCTURES
        ),
        "common": _common,
        "reliability": _reliability,
        "totals": lambda each: [tallies["all"] for tallies in (each.scored.verdicts, each.scored.rankings) if tallies],
        "counts": _counts,
        "tokens": count_text,
        "told": lambda value: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
    }


# Figures --------------------------------------------------------------------------------------------------------------


def _bounds(interval: Interval | None, digits: int = 3, sign: str = "") -> Markup:
    """A figure, and its interval in smaller print; a dash where nothing was measured."""
    if interval is None:
        return Markup('<span class="none">–</span>')
    mean, low, high = (f"{value:{sign}.{digits}f}".replace("-", "−") for value in interval)
    return Markup("{} <small>[{}, {}]</small>").format(mean, low, high)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,} ({count / counts.total():.1%})" for name, count in counts.most_common())


def _groups(found: Iterable[Evidence], kind: str) -> list[str]:
    """All rows, then each domain of any run."""
    return list(dict.fromkeys(["all", *(group for each in found for group in getattr(each.scored, kind))]))


def _rule_means(tally: Tally | RankingTally) -> dict[str, float]:
    return {name: interval.mean for name, interval in tally.baselines.accuracy.items()}


def _best_rule(tally: Tally) -> tuple[str, Interval]:
    return max(tally.baselines.accuracy.items(), key=lambda each: each[1].mean)


def _common(principles: Sequence[Principle]) -> list[Principle]:
    return [each for each in principles if each.rows >= MIN_ROWS][:MAX_PRINCIPLES]


def _link(viewers: Mapping[str, str], name: str, text: str, **filters: str) -> Markup:
    """A link to these rows in the run's viewer; the text alone where the page has no viewer of the run."""
    if name not in viewers:
        return Markup("{}").format(text)
    return Markup('<a href="#{}">{}</a>').format(urlencode({"rows": name} | filters), text)


# Charts ---------------------------------------------------------------------------------------------------------------

TOKENS = "tokens written for a row (each doubling alike)"


def _votes_chart(found: Iterable[Evidence]) -> Markup | None:
    """Accuracy against tokens of all runs; None where none has a label, and for more runs than there are colours.

    A tie is a half, because two votes in two orders can tie and one vote cannot.
    """
    lines = {each.name: points for each in found if (points := _points(each))}
    return charts.curves(lines, TOKENS) if 0 < len(lines) <= charts.COLOURS else None


def _points(found: Evidence) -> list[charts.Point]:
    return [
        (max(tally.usage.completion_tokens / tally.rows, 1.0), tally.accuracy_half_ties, str(votes))
        for votes, tally in found.votes.items()
        if tally.accuracy_half_ties is not None and not tally.usage.unknown_calls
    ]


def _reliability(calibration: Calibration) -> Markup:
    bins = [(each.confidence, each.accuracy, each.rows) for each in calibration.bins]
    return charts.diagram(bins, max(rows for _, _, rows in bins))
