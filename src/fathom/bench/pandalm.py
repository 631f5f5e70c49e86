"""The test set of PandaLM: pairs with the verdicts of three annotators, ties among them.

    score.figures["accuracy"], score.figures["f1"]

Labels that are ties stand in metadata["gold"] as null; the row's own label is null then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench._files import comparison, each, found
from fathom.bench._outcomes import Row, mean
from fathom.labels import FROM_ONE_0_IS_TIE, outcome
from fathom.records import Comparison, Label

FILES = ("testset-v1.*",)
ANNOTATORS = ("annotator1", "annotator2", "annotator3")
COLUMNS = ("idx", "instruction", "input", "response1", "response2", *ANNOTATORS)


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, COLUMNS, _pair)


def _pair(row: Row, line: int) -> Iterator[Comparison]:
    gold = majority(row)
    yield comparison(
        "pandalm",
        str(row["idx"]),
        f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"],
        (row["response1"], row["response2"]),
        Label(scores=(0.5, 0.5)) if gold is None else Label(best=gold),
        subset="test",
        domain="preference",
        gold=gold,
    )


def majority(row: Row) -> int | None:
    """What most annotators say: 0, 1 or None for a tie; a tie too where each says something else."""
    said, votes = Counter(outcome(row[name], FROM_ONE_0_IS_TIE) for name in ANNOTATORS).most_common(1)[0]
    return said if votes > 1 else None


def item(row: Row) -> tuple[int | None, int | None]:
    """The verdict and the label; what cannot be read is a tie, as in the paper."""
    return row["winner"], row["metadata"]["gold"]


def figures(items: Sequence[tuple[int | None, int | None]]) -> Mapping[str, float]:
    pairs = Counter(items)
    there = {kind for pair in pairs for kind in pair}
    precision, recall, f1 = zip(*(_class(pairs, kind) for kind in sorted(there, key=str)), strict=True)
    accuracy = mean(said == gold for said, gold in items)
    return {"accuracy": accuracy, "precision": mean(precision), "recall": mean(recall), "f1": mean(f1)}


def _class(pairs: Counter[tuple[int | None, int | None]], kind: int | None) -> tuple[float, float, float]:
    """Precision, recall and F1 of one outcome; 0 where there is nothing to divide by."""
    right = pairs[kind, kind]
    said = sum(count for (verdict, _), count in pairs.items() if verdict == kind)
    true = sum(count for (_, gold), count in pairs.items() if gold == kind)
    return right / max(said, 1), right / max(true, 1), 2 * right / max(said + true, 1)


_CASES = [("Add the numbers.", "2, 3", "5", "6", (1, 1, 0)), ("Say yes in French.", "", "Non", "Oui", (2, 2, 2))]
BENCHMARK = Benchmark(
    name="pandalm",
    title="PandaLM test set",
    source="Wang et al. 2024, PandaLM (arXiv 2306.05087); github.com/WeOpenML/PandaLM, data/; Apache-2.0.",
    files=FILES,
    size="999 pairs",
    layout=(
        "idx, instruction, input, response1, response2, annotator1 to annotator3 (0 tie, 1, 2); checked with 729 of the"
        " 999 rows."
    ),
    official=(
        "The label is the majority of three annotators. Accuracy, and precision, recall and F1 as plain means over the"
        " outcomes that occur. An unreadable verdict counts as a tie, as in the paper. The paper asks in one"
        " order; with both orders the verdict of the votes counts."
    ),
    domains={"test": "preference"},
    load=load,
    item=item,
    figures=figures,
    always_first=0.0,
    example={
        "testset-v1.json": [
            {"idx": index, "instruction": instruction, "input": more, "response1": first, "response2": second}
            | dict(zip(ANNOTATORS, votes, strict=True))
            for index, (instruction, more, first, second, votes) in enumerate(_CASES)
        ]
    },
)
