"""Measurements that are made up, as the results of an experiment on fresh seeds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fathom.lab.experiments import pages
from fathom.lab.experiments.claims import decide
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement, Results, Row, load, save


def rows(measurements: Iterable[Measurement], first: int = 10) -> list[Row]:
    """One per seed, from the first reported seed on."""
    return [
        Row(seed=seed, **measured._asdict(), wall_seconds=60.0, cpu_seconds=50.0)
        for seed, measured in enumerate(measurements, first)
    ]


def holding(experiment: Experiment[Any], found: list[Row]) -> dict[str, bool]:
    return {claim.name: decide(claim, found).holds for claim in experiment.register.claims}


def page(experiment: Experiment[Any], found: list[Row], folder: Path) -> str:
    """The page, from results that went through their file, beside its figures; checks that its parts are sound."""
    made_from, versions = experiment.origin()
    save(folder / "results.json", Results(made_from=made_from, versions=versions, rows=tuple(found)))
    results = load(folder / "results.json")
    text = pages.page(experiment, results)
    pages.plots(experiment, results, folder)
    figures = sorted(path.name for path in folder.glob("*.svg"))
    assert figures
    assert all(f"]({figure})" in text for figure in figures)
    table_rows = [line for line in text.splitlines() if line.startswith("|")]
    assert table_rows
    assert all(line.endswith("|") for line in table_rows)
    assert "{{" not in text
    return text
