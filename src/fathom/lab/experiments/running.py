"""Runs an experiment seed by seed. What is finished is kept: to resume is to run again.

for line in reproduce(EXPERIMENT, out, seeds=EXPERIMENT.register.reported.seeds): print(line)
for line in quick(EXPERIMENT, out): print(line)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fathom.lab.experiments import pages
from fathom.lab.experiments.claims import decide
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.processes import claim_folder, side_by_side
from fathom.lab.experiments.register import REPORTED, SHAPING
from fathom.lab.experiments.results import Results, Row, save
from fathom.metrics.significance import same_rate_p
from fathom.results.provenance import write_json

PREPARED = "prepared"
"""The name under which the time of `Experiment.prepare` is kept."""


def reproduce(experiment: Experiment[Any], out: Path, seeds: Sequence[int]) -> Iterator[str]:
    """Run seeds in `out`; then write results.json, the page and its plots. Yield progress and the claims as lines.

    Parts run side by side on all cores. results.json is written whenever a seed finishes, and holds the finished ones
    of `seeds`. Raises FathomError if `out` holds results of other settings, recipes or inputs.
    """
    yield from notes(seeds)
    made_from, versions = experiment.origin()
    results = Results(made_from=made_from, versions=versions, claims=experiment.register.criteria, rows=())
    for event in run(experiment, out, seeds):
        if isinstance(event, str):
            yield event
        else:
            rows = sorted([*results.rows, event], key=lambda row: seeds.index(row.seed))
            results = results.model_copy(update={"rows": tuple(rows)})
            save(out / "results.json", results)
    (out / f"{experiment.name}.md").write_text(pages.page(experiment, results), encoding="utf-8")
    pages.plots(experiment, results, out)
    yield from verdicts(experiment, results)
    yield f"wrote {out / 'results.json'}, {out / experiment.name}.md and its figures"


def verdicts(experiment: Experiment[Any], results: Results) -> Iterator[str]:
    """One line per claim; beside other seeds than the committed ones, whether as many succeed as there."""
    committed = experiment.results
    for claim in experiment.register.claims:
        found = decide(claim, results.rows)
        line = f"{claim.name}: {found}"
        if committed and not set(committed.seeds) & set(results.seeds):
            other = decide(claim, committed.rows)
            p = same_rate_p(found.successes, other.successes)
            line += (
                f"; as committed {sum(other.successes)} of {len(other.successes)}, p = {p:.3f} (Fisher's exact test)"
            )
        yield line


def quick(experiment: Experiment[Any], out: Path) -> Iterator[str]:
    """Run the first reported seed, and yield its contrasts beside the committed ones. Decides no claim."""
    seed = experiment.register.reported.seeds[0]
    committed = {row.seed: row for row in experiment.results.rows} if experiment.results else {}
    for event in run(experiment, out, [seed]):
        if isinstance(event, str):
            yield event
            continue
        yield f"seed {seed}: here, {'as committed' if seed in committed else 'not committed yet'}"
        for words, value in event.contrasts.items():
            beside = f"{committed[seed].contrasts[words]:+.4f}" if seed in committed else "-"
            yield f"  {value:+.4f}  {beside}  {words}"
    yield "one seed decides no claim"


def notes(seeds: Sequence[int]) -> Iterator[str]:
    """What to know about seeds that are not reported."""
    if shaping := [seed for seed in seeds if seed in SHAPING]:
        yield f"seeds {shaping} are development seeds, and are never reported"
    if kept := [seed for seed in seeds if seed not in SHAPING and seed not in REPORTED]:
        yield f"seeds {kept} are kept for checking the finished code; before a release, base no decision on them"


def run(experiment: Experiment[Any], out: Path, seeds: Sequence[int]) -> Iterator[str | Row]:
    """Run what is not yet there. Yield the row of each seed as it finishes, and progress as lines."""
    folders = {seed: out / f"seed-{seed}" for seed in seeds}
    made_from, _ = experiment.origin()
    for folder in folders.values():
        claim_folder(folder, made_from)
    if experiment.prepare:
        for seed, _ in _finished(experiment, experiment.prepare, [PREPARED], folders):
            yield f"seed {seed}: prepared"
    left = {seed: [part for part in experiment.parts if not _is_done(part, folders[seed])] for seed in seeds}
    yield from (_row(experiment, seed, folders[seed]) for seed in seeds if not left[seed])
    for seed, part in _finished(experiment, experiment.run, experiment.parts, folders):
        yield f"seed {seed}: {part} finished"
        left[seed].remove(part)
        if not left[seed]:
            yield _row(experiment, seed, folders[seed])


def _finished(
    experiment: Experiment[Any], work: Callable[..., None], parts: Sequence[str], folders: dict[int, Path]
) -> Iterator[tuple[int, str]]:
    """Do the parts that are not done yet, side by side, and yield seed and part as each finishes."""
    todo = [
        (work, part, seed, experiment.settings, folder)
        for seed, folder in folders.items()
        for part in parts
        if not _is_done(part, folder)
    ]
    for _, part, seed, *_ in side_by_side(timed, todo, experiment.own_file):
        yield seed, part


def timed(work: Callable[..., None], part: str, seed: int, settings: Any, folder: Path) -> None:
    """Do a part and mark it as done. Its time includes that of attempts that were interrupted."""
    spent, begun = _times(part, folder), (time.perf_counter(), time.process_time())
    done = False
    try:
        work(part, seed, settings, folder)
        done = True
    finally:
        wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
        times = {"done": done, "wall_seconds": spent["wall_seconds"] + wall, "cpu_seconds": spent["cpu_seconds"] + cpu}
        write_json(folder / f"{part}.time.json", times)


def _times(part: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{part}.time.json"
    if not path.exists():
        return {"done": False, "wall_seconds": 0.0, "cpu_seconds": 0.0}
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _is_done(part: str, folder: Path) -> bool:
    return bool(_times(part, folder)["done"])


def _row(experiment: Experiment[Any], seed: int, folder: Path) -> Row:
    """The row of a finished seed."""
    found = experiment.measure(seed, experiment.settings, folder)
    times = [_times(part, folder) for part in (PREPARED, *experiment.parts)]
    spent = {name: round(sum(each[name] for each in times), 1) for name in ("wall_seconds", "cpu_seconds")}
    return Row(seed=seed, contrasts=found.contrasts, by_cluster=found.by_cluster, figures=found.figures, **spent)
