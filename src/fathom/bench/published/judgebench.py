"""JudgeBench: texts of judges with Arena-Hard's prompt and scores of reward models, in both orders of its pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fathom.bench import judgebench
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import (
    BOTH_ORDERS,
    TWO_DECIMALS,
    compared,
    lines,
    official,
    read_row,
    stated_row,
    stated_vote,
    stem,
    written,
)
from fathom.data.labels import LETTERS, outcome
from fathom.judges import Vote
from fathom.judges.arena_hard import ArenaHardJudge
from fathom.results.rows import VerdictRow

FOLDER = "judgebench"
SOURCE = "JudgeBench (arXiv 2410.12784), tables 2 and 3"
DECISIONS = {"A>B": 0, "B>A": 1}


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    for path in sorted(folder.glob("outputs_*/*.jsonl*")):
        numbers = _stated(stated, path.relative_to(folder).as_posix())
        judged = [judged_row(pair) for pair in lines(path)]
        for name, value in official(judgebench.BENCHMARK, judged).items():
            yield Figure(
                benchmark="JudgeBench",
                run=f"{path.parent.name.removeprefix('outputs_')}: {stem(path).split('__', 1)[-1]}",
                name=name,
                ours=100 * value,
                published=numbers.get(name.capitalize()),
                tolerance=TWO_DECIMALS,
                rows=sum(name in ("overall", row["metadata"]["subset"]) for row in judged),
                source=SOURCE
                if numbers.get("kind") == "published"
                else "computed by the collectors of the transcripts",
            )


def _stated(stated: Stated, path: str) -> Stated:
    """The numbers of a file. A key may have further words after the file name."""
    return next((numbers for name, numbers in stated.items() if name.split(" ")[0] == path), {})


def judged_row(pair: dict[str, Any]) -> VerdictRow:
    comparison = compared(
        pair["pair_id"], subset=judgebench.category(pair["source"]), label=outcome(pair["label"], LETTERS)
    )
    judgments = list(zip(BOTH_ORDERS, pair["judgments"], strict=True))
    if pair["judge_name"] == "arena_hard":
        texts = [(order, written((judgment["judgment"] or {}).get("response"))) for order, judgment in judgments]
        return read_row(ArenaHardJudge(as_published=True), comparison, texts)
    return stated_row(comparison, [_decided(judgment["decision"], order) for order, judgment in judgments])


def _decided(decision: str | None, order: tuple[int, ...]) -> Vote:
    return stated_vote(DECISIONS.get(decision or ""), order, parsed=decision is not None)
