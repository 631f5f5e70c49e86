"""JETTS reranking: the score of the response that the judge ranks first among up to ten of one model.

    score.figures["score"], score.figures["gain"], score.figures["gsm8k score"]

The other two tasks of JETTS, beam search and refinement, need a generator and are not implemented.
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
"""The largest difference of two means that counts as rounding error."""


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, COLUMNS, partial(_answers, file=path.name.split(".jsonl")[0]))


def _answers(row: SourceRow, line: int, file: str) -> Iterator[Comparison]:
    """A question with a single answer is left out, because there is nothing to choose."""
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
    """The score of the chosen answer, the mean and the maximum over all answers, 0 to 1, for all sets and for its own.

    If several answers share the top, or the row is unparsed, the mean over these is the expected score of a random one.
    """
    values = row["metadata"]["values"]
    judged = source_first(row, scores(row) or [0.0] * len(values))
    top = [value for value, score in zip(values, judged, strict=True) if score == max(judged)]
    named = {"score": mean(top), "random": mean(values), "best": max(values)}
    return [(f"{part}{name}", value) for part in ("", f"{row['metadata']['subset']} ") for name, value in named.items()]


def figures(means: Mapping[str, float]) -> Mapping[str, float]:
    sets = [name.removesuffix("score") for name in means if name.endswith(" score")]
    by_set: dict[str, float] = {}
    for part in sets:
        by_set |= {f"{part}score": means[f"{part}score"]} | _gain(means, part)
    return {"score": mean(means[f"{part}score"] for part in sets)} | _gain(means, "") | by_set


def _gain(means: Mapping[str, float], part: str) -> dict[str, float]:
    """(score - random) / (best - random): 0 for a random choice, 1 for the best. Empty if all answers are equal."""
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
    # All answers share the top after both orders: the mean of one right answer among four.
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
