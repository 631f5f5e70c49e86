"""JETTS, reranking: up to ten answers of one model to a question; the judge picks one, and its score counts.

    score.figures["score"], score.figures["gain"], score.figures["gsm8k score"]

Beam search and refinement, the other two tasks, are not here: they take a generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found, placed
from fathom.bench.outcomes import mean, scores, source_first
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain, Label
from fathom.results.rows import Row

FILES = ("*_*.jsonl*",)
COLUMNS = ("query", "responses")
SETS: Mapping[str, Domain] = {
    "gsm8k": "correctness",
    "math": "correctness",
    "champ": "correctness",
    "humaneval": "correctness",
    "mbpp": "correctness",
    "bigcodebench": "correctness",
    "alpacaeval": "preference",
    "ifeval": "preference",
}

NOTHING = 1e-9
"""What sums of equal scores may differ by."""


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, COLUMNS, partial(_answers, file=path.name.split(".jsonl")[0]))


def _answers(row: SourceRow, line: int, file: str) -> Iterator[Comparison]:
    """A question with one answer leaves nothing to choose, and is left out."""
    subset = next((name for name in SETS if file.lower().startswith(name)), file.split("_")[0])
    values = tuple(float(response["metadata"]["score"]) for response in row["responses"])
    if len(values) > 1:
        answers = comparison(
            "jetts",
            f"{file}/{line}",
            row["query"]["content"],
            [response["content"] for response in row["responses"]],
            Label(scores=values),
            subset=subset,
            domain=SETS.get(subset),
            file=file,
            values=values,
        )
        yield placed(answers)


def item(row: Row) -> list[tuple[str, float]]:
    """The score of the answer that was picked, the mean of all and the best, 0 to 1, of the whole and of its set.

    Of several answers on top, and where nothing could be read of all, the mean counts: one drawn among them.
    """
    values = row["metadata"]["values"]
    judged = source_first(row, scores(row) or [0.0] * len(values))
    top = [value for value, score in zip(values, judged, strict=True) if score == max(judged)]
    told = {"score": mean(top), "random": mean(values), "best": max(values)}
    return [(f"{part}{name}", value) for part in ("", f"{row['metadata']['subset']} ") for name, value in told.items()]


def figures(means: Mapping[str, float]) -> Mapping[str, float]:
    sets = [name.removesuffix("score") for name in means if name.endswith(" score")]
    told: dict[str, float] = {}
    for part in sets:
        told |= {f"{part}score": means[f"{part}score"]} | _gain(means, part)
    return {"score": mean(means[f"{part}score"] for part in sets)} | _gain(means, "") | told


def _gain(means: Mapping[str, float], part: str) -> dict[str, float]:
    """How much of the way from a random answer to the best one; none where all answers are equally good."""
    picked, random, best = (means[f"{part}{name}"] for name in ("score", "random", "best"))
    return {f"{part}gain": (picked - random) / (best - random)} if best - random > NOTHING else {}


BENCHMARK = Benchmark(
    name="jetts",
    title="JETTS reranking",
    source=(
        "Zhou et al. 2025, JETTS (arXiv 2504.15253); github.com/SalesforceAIResearch/jetts-benchmark, which names where"
        " the data are stored."
    ),
    files=FILES,
    size="up to 10 answers per question; one file for each of eight data sets and each generator",
    layout=(
        "DATASET_GENERATOR.jsonl: query (content), responses (content, metadata.score from 0 to 1), as in the authors'"
        " code. Checked with this layout only, not with the real files."
    ),
    official=(
        "The mean quality of the answers that are ranked first. A pairwise judge ranks by a round robin of all pairs."
        " If several answers share the first rank, or no verdict could be parsed, their mean quality counts. The score"
        " is the unweighted mean over the data sets that were judged. Gain is Fathom's own figure: 0 for a random"
        " answer, 1 for the best answer to each question."
    ),
    domains=SETS,
    load=load,
    item=item,
    figures=figures,
    # The mean of one right answer among four.
    always_first=0.25,
    example={
        f"{name}_a-generator.jsonl": [
            {
                "query": {"content": f"{name}: what is 2 + {number}?", "metadata": {}},
                "responses": [
                    {"content": str(answer), "metadata": {"score": float(answer == number + 2)}}
                    for answer in (number + 2, 0, 1, 99)
                ],
            }
            for number in (3, 4)
        ]
        for name in SETS
    },
)
