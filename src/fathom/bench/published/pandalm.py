"""PandaLM-7B and gpt-3.5-turbo on PandaLM's test set: verdict, reason and reference, as PandaLM writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fathom.bench import pandalm
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import TWO_DECIMALS, compared, lines, official, read_row, stem, written
from fathom.judges.pandalm import PandaLMJudge
from fathom.results.rows import VerdictRow

FOLDER = "pandalm"
SOURCE = "PandaLM (arXiv 2306.05087), quoted from memory by the collectors of the transcripts"


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    gold = {label["idx"]: pandalm.majority(label) for path in folder.glob("labels*.jsonl*") for label in lines(path)}
    for path in sorted(folder.glob("*-testset-v1.jsonl*")):
        run = stem(path).removesuffix("-testset-v1")
        rows = [row(result, gold[result["idx"]]) for result in lines(path)]
        for name, value in official(pandalm.BENCHMARK, rows).items():
            yield Figure(
                benchmark="PandaLM test set",
                run=run,
                name=name,
                ours=100 * value,
                published=stated.get(run, {}).get(name),
                tolerance=TWO_DECIMALS,
                rows=len(rows),
                source=SOURCE,
            )


def row(result: Mapping[str, Any], gold: int | None) -> VerdictRow:
    comparison = compared(str(result["idx"]), subset="test", label=gold, gold=gold)
    return read_row(PandaLMJudge(as_published=True), comparison, [((0, 1), written(text(result)))])


def text(result: Mapping[str, Any]) -> str:
    """Reconstruct the completion from its three columns; in PandaLM's own files, 0 is a tie."""
    verdict, reason, reference = (
        next(str(value) for name, value in result.items() if name.endswith(f"_{part}"))
        for part in ("result", "reason", "reference")
    )
    return f"{'Tie' if verdict == '0' else verdict}\n\n### Reason: {reason}\n\n### Reference: {reference}\n"
