"""RM-R1: its texts on RMB, texts that were cut off, and the averages in its tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from fathom.bench import rewardbench, rmb
from fathom.bench.outcomes import mean
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import EXACT, compared, lines, read_row, written
from fathom.judges.rm_r1 import RMR1Judge
from fathom.results.rows import VerdictRow

FOLDER = "rm_r1"
SOURCE = "RM-R1 (arXiv 2505.02387), eval/result of its repository"
DOMAINS = ("chat", "math", "code", "safety")
DIFFICULTIES = ("hard_acc", "normal_acc", "easy_acc")
RMB_SETS = ("Pairwise Helpfulness", "Pairwise Harmlessness", "BoN Helpfulness", "BoN Harmlessness")


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    for path in sorted(folder.glob("*transcripts*.jsonl*")):
        yield from _transcripts(path)
    for path in sorted(folder.glob("truncated*.jsonl*")):
        yield _truncated(path)
    for path in sorted(folder.glob("scores/*")):
        yield from chain(_rewardbench(path), _rm_bench(path), _rmb(path))


def _figure(
    benchmark: str, run: str, name: str, ours: float, published: float, rows: int, *, tolerance: float = EXACT
) -> Figure:
    return Figure(
        benchmark=benchmark,
        run=run,
        name=name,
        ours=ours,
        published=published,
        tolerance=tolerance,
        rows=rows,
        source=SOURCE,
    )


# Texts ----------------------------------------------------------------------------------------------------------------


def _transcripts(path: Path) -> Iterator[Figure]:
    by_model: dict[str, list[dict[str, Any]]] = {}
    for transcript in lines(path):
        by_model.setdefault(transcript["_model"], []).append(transcript)
    for model, judged in by_model.items():
        right = sum(bool(row(transcript)["correct"]) for transcript in judged)
        published = sum(transcript["results"] for transcript in judged)
        yield _figure("RM-R1's texts", model, "right verdicts", right, published, len(judged), tolerance=0.0)


def row(transcript: Mapping[str, Any]) -> VerdictRow:
    """The row of a transcript, with the chosen response first; the transcript has the order shown."""
    order = (1, 0) if transcript["Is_Chosen_Answer_Shuffled_toPositionB"] else (0, 1)
    comparison = compared(str(transcript["_index"]), subset=transcript["_set"], label=0)
    return read_row(RMR1Judge(as_published=True), comparison, [(order, written(transcript["answers"]))])


def _truncated(path: Path) -> Figure:
    rows = [
        read_row(RMR1Judge(as_published=True), compared(str(each["_index"])), [((0, 1), written(each["output"]))])
        for each in lines(path)
    ]
    read = sum(row["status"] == "ok" for row in rows)
    return _figure("RM-R1's texts", "cut off at 50 tokens", "verdicts", read, 0, len(rows), tolerance=0.0)


# Tables ---------------------------------------------------------------------------------------------------------------


def _rewardbench(folder: Path) -> Iterator[Figure]:
    subsets, published = _table(folder, "reward_bench*small_section*"), _table(folder, "reward_bench*main_score*")
    by_section = sections(subsets) if subsets else {}
    named = by_section | ({"avg_Result_each_section": mean(by_section.values())} if by_section else {})
    for name, value in named.items():
        yield _figure("RewardBench", folder.name, name, value, published[name], len(rewardbench.DOMAINS))


def sections(subsets: Mapping[str, Any]) -> dict[str, float]:
    """The mean of each section of RewardBench with the official weights."""
    return {
        name: sum(weight * subsets[subset] for subset, weight in weights.items()) / sum(weights.values())
        for name, weights in rewardbench.SECTIONS.items()
    }


def _rm_bench(folder: Path) -> Iterator[Figure]:
    table = _table(folder, "RM-Bench*")
    for name, parts in {"total, of domains": DOMAINS, "total, of difficulties": DIFFICULTIES}.items():
        if table:
            value = mean(table[part] for part in parts)
            yield _figure("RM-Bench", folder.name, name, value, table["total_avg_acc"], len(parts))


def _rmb(folder: Path) -> Iterator[Figure]:
    table = _table(folder, "RMB__META*")
    if table:
        value = rmb.figures({part: table[part] for part in RMB_SETS})["overall"]
        published = table["Accuracy Averaged from Four Sections"]
        yield _figure("RMB", folder.name, "overall", value, published, len(RMB_SETS))


def _table(folder: Path, pattern: str) -> dict[str, Any]:
    """The JSON object in the first file that matches; empty without a match."""
    paths: Iterable[Path] = sorted(folder.glob(pattern))
    return next((json.loads(path.read_text()) for path in paths), {})
