"""MR-GSM8K: critiques of wrong solutions; the authors kept those that name the true first wrong step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import compared, lines, read_row, stem, written
from fathom.data.steps import first_error
from fathom.judges.mr_gsm8k import MRGSM8KJudge
from fathom.results.rows import VerdictRow

FOLDER = "mr_gsm8k"
SOURCE = "MR-GSM8K (arXiv 2312.17080), eval_results/gpt4-grading of its repository, which contains only right rows"


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    for path in sorted(folder.glob("*eval_results*.jsonl*")):
        rows = [row(critique) for critique in lines(path)]
        yield Figure(
            benchmark="MR-GSM8K",
            run=stem(path).split("__")[-1].removesuffix("_eval_results"),
            name="right first wrong steps",
            ours=sum(step(row) == row["metadata"]["step"] for row in rows),
            published=len(rows),
            tolerance=0.0,
            rows=len(rows),
            source=SOURCE,
        )


def row(critique: Mapping[str, Any]) -> VerdictRow:
    """The row of a critique, whose column has the name of the critic as its prefix."""
    evaluation = next(value for name, value in critique.items() if "_eval_output" in name)
    comparison = compared(
        critique["uuid"], n=1, subset="wrong", step=critique["model_output_solution_first_error_step"]
    )
    return read_row(MRGSM8KJudge(as_published=True), comparison, [((0,), written(evaluation["response"]))])


def step(row: VerdictRow) -> int | None:
    """The first wrong step by the verdict, counted from 1; None without one and for an unparsed row."""
    (vote,) = row["votes"]
    index = first_error(vote["step_scores"][0]) if vote["step_scores"] else None
    return None if index is None else index + 1
