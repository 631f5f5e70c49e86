"""The report page of one or several runs: accuracy, comparisons, calibration, cost and provenance.

    write(gather([runs.open("verdicts.jsonl")]), Path("report.html"))

The page is a single file that loads nothing from elsewhere. Of model outputs it shows only principles and errors,
escaped. With embedded viewers it also shows every row; its only script opens them. Equal runs give equal pages.
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
from fathom.metrics import steps
from fathom.metrics.baselines import RULES
from fathom.metrics.calibration import Calibration
from fathom.metrics.intervals import Interval
from fathom.metrics.principles import Principle
from fathom.metrics.rankings import RankingTally
from fathom.metrics.steps import StepTally
from fathom.metrics.verdicts import Tally
from fathom.report import charts, viewer
from fathom.report.cards import Card
from fathom.report.evidence import Evidence
from fathom.report.viewer import policy, web
from fathom.results.outputs import marked
from fathom.results.rows import format_token_count

FILES = ("common.css", "report.css")
STRUCTURES = {"breadth": 0, "depth": 1, "hybrid": 2, "vanilla": 3}
"""The structures with their colour numbers."""
STYLES = ("concise", "detailed", "detailed, Markdown")
MAX_PRINCIPLES = 15
MIN_ROWS = 5
"""Principles in fewer rows are not listed."""
MAX_ERRORS = 5
ERROR_SHOWN = 200
"""The number of characters of an error message that are shown."""


def write(runs: Sequence[Evidence], out: Path, **options: Any) -> None:
    """Write the report; `options` are the keyword arguments of `page`."""
    with atomic_write(out) as file:
        file.write(marked(page(runs, **options).encode(), "report"))


def page(runs: Sequence[Evidence], *, viewers: Mapping[str, str] | None = None, cards: Sequence[Card] = ()) -> str:
    """The report as HTML. `viewers` maps names of runs to pages of `fathom.report.viewer`, which are embedded."""
    style, script = Markup("".join(map(web, FILES))), Markup(web("report.js"))
    allowed = policy([style])
    if viewers:
        # A page in a frame is subject to its own policy and to the report's, so both must allow the viewer's script.
        allowed = policy([style, viewer.own_style()], [script, viewer.own_script()]) + "; frame-src blob:"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "strip": charts.strip,
        "bounds": _bounds,
        "percent": "{:.0%}".format,
        "decimals": lambda value: "–" if value is None else f"{value:.3f}",
        "thousands": "{:,}".format,
    }
    environment.globals |= _names() | {"viewers": viewers or {}, "link": partial(_link, viewers or {})}
    template = environment.from_string(web("report.html.jinja"))
    packed = {name: _packed(text) for name, text in (viewers or {}).items()}
    return template.render(runs=runs, cards=cards, style=style, script=script, packed=packed, policy=allowed)


def _packed(text: str) -> Markup:
    """Base64 of gzip: no character of it can end the HTML element. Without a time, so that equal pages are equal."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode())


CONFIDENCE = {
    "probabilities": "probability of the verdict",
    "scores": "softmax of the scores",
    "votes": "share of votes",
}
"""What each source of `calibration.confidences` is called on the page."""


def _names() -> dict[str, Any]:
    """The functions and constants that the template uses."""
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
        "step_metrics": lambda each: steps.summary(each.scored.steps),
        "reliability": _reliability,
        "step_profile": _step_profile,
        "confidence": CONFIDENCE,
        "totals": lambda each: [tallies["all"] for tallies in (each.scored.verdicts, each.scored.rankings) if tallies],
        "counts": _counts,
        "tokens": format_token_count,
        "as_text": lambda value: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
    }


# Values ---------------------------------------------------------------------------------------------------------------


def _bounds(interval: Interval | None, digits: int = 3, sign: str = "") -> Markup:
    """A value with its interval in small print; a dash for None."""
    if interval is None:
        return Markup('<span class="none">–</span>')
    mean, low, high = (f"{value:{sign}.{digits}f}".replace("-", "−") for value in interval)
    return Markup("{} <small>[{}, {}]</small>").format(mean, low, high)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,} ({count / counts.total():.1%})" for name, count in counts.most_common())


def _groups(runs: Iterable[Evidence], kind: str) -> list[str]:
    """The groups of any run: "all", then each domain."""
    return list(dict.fromkeys(["all", *(group for each in runs for group in getattr(each.scored, kind))]))


def _rule_means(tally: Tally | RankingTally) -> dict[str, float]:
    return {name: interval.mean for name, interval in tally.baselines.accuracy.items()}


def _best_rule(tally: Tally) -> tuple[str, Interval]:
    return max(tally.baselines.accuracy.items(), key=lambda each: each[1].mean)


def _common(principles: Sequence[Principle]) -> list[Principle]:
    return [each for each in principles if each.rows >= MIN_ROWS][:MAX_PRINCIPLES]


def _link(viewers: Mapping[str, str], name: str, text: str, **filters: str) -> Markup:
    """A link to these rows in the run's viewer, or the plain text if the page has no viewer of the run."""
    if name not in viewers:
        return Markup("{}").format(text)
    return Markup('<a href="#{}">{}</a>').format(urlencode({"rows": name} | filters), text)


# Charts ---------------------------------------------------------------------------------------------------------------

TOKENS = "completion tokens per row (log scale)"


def _votes_chart(runs: Iterable[Evidence]) -> Markup | None:
    """Accuracy against completion tokens; None without labels, and for more runs than there are colours.

    A tie counts 0.5. Two votes in two orders can tie, but one vote cannot, so counting ties as wrong would favour one.
    """
    lines = {each.name: points for each in runs if (points := _points(each))}
    return charts.curves(lines, TOKENS) if 0 < len(lines) <= charts.COLOURS else None


def _points(run: Evidence) -> list[charts.Point]:
    return [
        (max(tally.usage.completion_tokens / tally.rows, 1.0), tally.accuracy_half_ties, str(votes))
        for votes, tally in run.votes.items()
        if tally.accuracy_half_ties is not None and not tally.usage.unknown_calls
    ]


def _step_profile(tally: StepTally) -> Markup | None:
    """The mean score of steps by their distance from the first wrong one; None without wrong steps."""
    points = {place: interval for place, share in tally.profile.items() if (interval := share.interval)}
    return charts.profile(points, "steps after the first wrong one") if points else None


def _reliability(calibration: Calibration) -> Markup:
    bins = [(each.confidence, each.accuracy, each.rows) for each in calibration.bins]
    return charts.diagram(bins, max(rows for _, _, rows in bins))
