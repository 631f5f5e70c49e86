"""The whole pipeline in a few minutes: synthesis, SFT, RLVR, judging, report.

`fathom demo` trains the mix arm of the small world once, with the library's own verbs, and shows what each step did.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fathom.engines.local import LocalEngine
from fathom.judges.mix import MixJudge
from fathom.lab import arms, base, world
from fathom.lab.arms import DOMAINS, STAGES, Measured, Settings, Stage, select
from fathom.metrics.intervals import Interval, clustered_share
from fathom.rationale import render
from fathom.report.figures import grouped_bars
from fathom.report.page import html, markdown
from fathom.results.provenance import input_hashes, provenance, write_json

SETTINGS = Settings(held_out=720)
COMMITTED = Path(__file__).with_suffix(".json")
"""The results of one run, from which the README's table is made."""
PARTS: Mapping[str, world.Part] = {
    "structure fits, SFT verbs": "sft",
    "structure fits, RLVR verbs": "rlvr",
    "structure fits, unseen verbs": "never",
}


def run(out: Path, seed: int, console: Console) -> Path:
    """Write models, measurements and report.html into `out`, and return the report's path."""
    arms.use_one_thread()
    started = time.process_time()
    console.log("synthesising rationales: a teacher's vanilla judgments, merged for breadth, solved for depth")
    synthesised = arms.synthesise(SETTINGS, seed, out / "synthesised")
    console.log("fine-tuning (SFT) on breadth for preference and depth for correctness, with the verbs of SFT")
    models = {"sft": arms.fine_tune("mix", seed, out / "synthesised", out / "model-sft")}
    console.log("reinforcing (RLVR) with labels alone, with other verbs")
    models["rlvr"] = arms.reinforce(seed, models["sft"], out / "model-rlvr")
    console.log(f"judging {SETTINGS.held_out} held-out comparisons with each model")
    measured: dict[Stage, list[Measured]] = {stage: arms.measure(models[stage], seed, SETTINGS) for stage in STAGES}
    rows = {stage: summary(measured[stage]) for stage in STAGES}
    figure(rows, out)
    page = markdown(
        "fathom.lab",
        "demo.md.jinja",
        accuracy=[accuracy.summary() for accuracy in synthesised.accuracies()],
        rows=rows,
        examples=examples(models["rlvr"], seed),
        settings=SETTINGS,
    )
    (out / "report.html").write_text(html(page, out), encoding="utf-8")
    minutes = (time.process_time() - started) / 60
    results = {"rows": rows, "minutes": minutes, "made_from": made_from(), **provenance({"seed": seed}, [])}
    write_json(out / "results.json", results)
    Console().print(table(rows, seed, minutes))
    return out / "report.html"


def made_from() -> dict[str, Any]:
    """Settings, recipes and the hashes of the base model's files, on which the results depend."""
    return {"settings": asdict(SETTINGS), "recipes": arms.recipes_used(), "inputs": input_hashes([base.PATH])}


def summary(run: Sequence[Measured]) -> dict[str, Interval | None]:
    """Strict accuracy by domain, share of fitting structures by set of verbs, and parse rate.

    A model chooses a structure by the verb, so the comparisons of a verb are a cluster in the intervals.
    """
    shares: dict[str, tuple[list[Measured], Callable[[Measured], bool]]] = {
        **{domain: (select(run, domain), lambda item: item.accurate) for domain in DOMAINS},
        **{name: (select(run, verbs=part), lambda item: item.matches) for name, part in PARTS.items()},
        "parse rate": ([*run], lambda item: item.readable),
    }
    return {
        name: clustered_share([value(item) for item in items], [item.verb for item in items])
        for name, (items, value) in shares.items()
    }


def table(rows: Mapping[Stage, Mapping[str, Interval | None]], seed: int, minutes: float) -> Table:
    shown = Table(
        title="Mix-GRM in the small world (95 % intervals, clustered by verb)",
        caption=f"seed {seed}, {minutes:.1f} minutes of processor time",
    )
    shown.add_column("")
    for stage in rows:
        shown.add_column(f"after {stage.upper()}", justify="right")
    for name in rows["sft"]:
        shown.add_row(name, *(str(rows[stage][name]) for stage in rows))
    return shown


def committed_table() -> str:
    """The table of the committed run as text. Raises OSError if there is none."""
    stored = json.loads(COMMITTED.read_text(encoding="utf-8"))
    rows = {stage: {name: Interval(*cell) for name, cell in stored["rows"][stage].items()} for stage in STAGES}
    printed = io.StringIO()
    Console(file=printed, width=100).print(table(rows, stored["config"]["seed"], stored["minutes"]))
    return "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())


def figure(rows: Mapping[Stage, Mapping[str, Interval | None]], out: Path) -> None:
    def groups(*names: str) -> dict[str, list[Interval]]:
        return {name.split(", ")[-1]: [cell for row in rows.values() if (cell := row[name])] for name in names}

    panels = {
        "accuracy": groups(*DOMAINS),
        "structure fits the task": groups(*PARTS),
    }
    grouped_bars(panels, [f"after {stage.upper()}" for stage in rows], out / "demo")


def examples(model: Path, seed: int) -> list[dict[str, Any]]:
    """One judged comparison of each domain, with verbs that no training showed."""
    items = world.items(2, seed=seed, verbs=world.split(seed).never, prefix="examples", held_out=True)
    judge = MixJudge(engine=LocalEngine(model), trained=True)

    return [
        {
            "comparison": comparison,
            "rationale": render(rationale) if (rationale := verdict.votes[0].rationale) else verdict.votes[0].text,
            "winner": verdict.winner,
        }
        for comparison, verdict in judge.run(item.comparison for item in items)
    ]
