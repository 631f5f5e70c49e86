"""The test set of PandaLM: pairs with the verdicts of three annotators, including ties.

    score.figures["accuracy"], score.figures["f1"]

metadata["gold"] is the annotators' majority, null for a tie. A row's label is null for a tie, so it cannot tell ties
from missing labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.outcomes import mean
from fathom.data.labels import FROM_ONE_0_IS_TIE, outcome
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Label
from fathom.results.rows import Row

FILES = ("testset-v1.*",)
ANNOTATORS = ("annotator1", "annotator2", "annotator3")
COLUMNS = ("idx", "instruction", "input", "response1", "response2", *ANNOTATORS)

OUTCOMES = (0, 1, None)
Pair = tuple[int | None, int | None]
"""A verdict and a label; None is a tie."""


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, COLUMNS, _pair)


def _pair(row: SourceRow, line: int) -> Iterator[Comparison]:
    gold = majority(row)
    yield comparison(
        "pandalm",
        str(row["idx"]),
        f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"],
        (row["response1"], row["response2"]),
        _label(gold),
        subset="test",
        domain="preference",
        annotations=of_annotators(row),
        gold=gold,
    )


def _label(outcome: int | None) -> Label:
    return Label(scores=(0.5, 0.5)) if outcome is None else Label(best=outcome)


def of_annotators(row: SourceRow) -> dict[str, Label]:
    """The label of each annotator."""
    return {name: _label(outcome(row[name], FROM_ONE_0_IS_TIE)) for name in ANNOTATORS}


def majority(row: SourceRow) -> int | None:
    """The majority of the annotators: 0, 1, or None for a tie. It is a tie if all three differ."""
    winner, votes = Counter(outcome(row[name], FROM_ONE_0_IS_TIE) for name in ANNOTATORS).most_common(1)[0]
    return winner if votes > 1 else None


def item(row: Row) -> list[tuple[Pair, float]]:
    """The cells of the confusion matrix: 1 for the row's verdict and label, 0 for all others.

    An unparsed verdict is a tie, as in the paper. The means over rows are the matrix, of which `figures` makes scores.
    """
    cell = (row["winner"], row["metadata"]["gold"])
    return [(pair, float(pair == cell)) for pair in product(OUTCOMES, OUTCOMES)]


def figures(shares: Mapping[Pair, float]) -> Mapping[str, float]:
    occurring = [kind for kind in OUTCOMES if any(shares[pair] for pair in shares if kind in pair)]
    precision, recall, f1 = zip(*(_class(shares, kind) for kind in occurring), strict=True)
    accuracy = sum(shares[kind, kind] for kind in OUTCOMES)
    return {"accuracy": accuracy, "precision": mean(precision), "recall": mean(recall), "f1": mean(f1)}


def _class(shares: Mapping[Pair, float], kind: int | None) -> tuple[float, float, float]:
    """Precision, recall and F1 of one outcome; 0 if the denominator is 0."""
    right = shares[kind, kind]
    predicted = sum(shares[kind, gold] for gold in OUTCOMES)
    true = sum(shares[verdict, kind] for verdict in OUTCOMES)
    return right / (predicted or 1), right / (true or 1), 2 * right / (predicted + true or 1)


_CASES = [("Add the numbers.", "2, 3", "5", "6", (1, 1, 0)), ("Say yes in French.", "", "Non", "Oui", (2, 2, 2))]
BENCHMARK = Benchmark(
    name="pandalm",
    title="PandaLM test set",
    source="Wang et al. 2024, PandaLM (arXiv 2306.05087); github.com/WeOpenML/PandaLM, data/; Apache-2.0.",
    files=FILES,
    size="999 pairs",
    layout=(
        "idx, instruction, input, response1, response2, annotator1 to annotator3 (1, 2, or 0 for a tie); checked with"
        " 729 of the 999 rows."
    ),
    official=(
        "The label is the majority of three annotators. The scores are accuracy, and precision, recall and F1 as"
        " unweighted means over the outcomes that occur. An unparsed verdict counts as a tie, as in the paper. The"
        " paper judges in one order; with both orders, the verdict over all votes counts."
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
