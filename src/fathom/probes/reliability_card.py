"""The reliability card of a judge, as JSON and as a page, from the rows and the metadata of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.data.atomic import atomic_write
from fathom.probes import Measure, compute_card, find
from fathom.report.page import html, markdown
from fathom.results.provenance import write_json
from fathom.results.runs import Run, judge_name

JUDGED_BY = ("model", "judge", "style", "prompt", "temperature", "max_tokens", "votes", "swap", "seed")
"""Settings that the page shows."""


def write(run: Run, folder: Path) -> dict[str, Any]:
    """Write card.json, card.md and card.html. Returns the content of card.json."""
    content = as_json(run)
    text = page(content, written=str(run.meta.get("written", "")))
    write_json(folder / "card.json", content)
    for name, document in (("card.md", text), ("card.html", html(text, folder))):
        with atomic_write(folder / name) as file:
            file.write(document.encode())
    return content


def as_json(run: Run) -> dict[str, Any]:
    """Measures, settings and versions. Equal rows give equal cards, because the card contains no time."""
    measured = compute_card(run.rows())
    return {
        "probes": {name: _probe(name, measures) for name, measures in measured.items()},
        "rows": sum(1 for _ in run.rows()),
        **{name: run.meta.get(name, {}) for name in ("config", "versions", "inputs")},
    }


def _probe(name: str, measures: Sequence[Measure]) -> dict[str, Any]:
    probe = find(name)
    return {"title": probe.title, "change": probe.change, "measures": list(map(_measure, measures))}


def _measure(measure: Measure) -> dict[str, Any]:
    bounds = measure.interval._asdict() if measure.interval else dict.fromkeys(("mean", "low", "high"))
    return {
        "name": measure.name,
        "meaning": measure.meaning,
        "target": measure.target,
        **bounds,
        "on_target": measure.on_target,
        "n": measure.n,
        "left_out": measure.left_out,
    }


def page(content: Mapping[str, Any], written: str = "") -> str:
    """The card in Markdown, from its JSON. `written` is the date of the rows, which card.json leaves out."""
    config = content["config"]
    settings = {name: config[name] for name in JUDGED_BY if config.get(name) is not None}
    if "judge" in settings:
        settings["judge"] = judge_name(config)  # without its settings, which follow one by one
    judged = [(probe["title"], measure) for probe in content["probes"].values() for measure in probe["measures"]]
    with_target = [(title, measure) for title, measure in judged if measure["on_target"] is not None]
    off_target = [(title, measure) for title, measure in with_target if not measure["on_target"]]
    return markdown(
        "fathom.probes",
        "card.md.jinja",
        settings=settings,
        written=written,
        with_target=with_target,
        off_target=off_target,
        **content,
    )
