"""LLMBar: pairs in which one response follows the instruction; four of five subsets are adversarial.

    score.figures["average"], score.figures["adversarial"], score.figures["Neighbor agreement"]

Other test sets in the authors' repository (FairEval, MT-Bench, LLMEval2, the case study) are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.outcomes import in_order, mean
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Label
from fathom.results.rows import Row

SUBSETS = ("Natural", "Neighbor", "GPTInst", "GPTOut", "Manual")
COLUMNS = ("input", "output_1", "output_2", "label")


def load(folder: Path) -> Iterator[Comparison]:
    for subset in SUBSETS:
        for path in found(folder, f"*{subset}*"):
            yield from each(path, COLUMNS, partial(_pair, subset=subset))


def _pair(row: SourceRow, line: int, subset: str) -> Iterator[Comparison]:
    yield comparison(
        "llmbar",
        f"{subset}/{row.get('_index', line - 1)}",
        row["input"],
        (row["output_1"], row["output_2"]),
        Label(best=int(row["label"]) - 1),
        subset=subset,
        domain="preference",
    )


def item(row: Row) -> list[tuple[str, float]]:
    """Accuracy over the orders and, if there are both, agreement between them.

    The winner is None for a tie and for an unparsed vote. So both are wrong, and two of them agree.
    """
    straight, swapped = in_order(row, 0), in_order(row, 1)
    winners = [vote["winner"] for vote in (straight, swapped) if vote] or [row["winner"]]
    subset = row["metadata"]["subset"]
    right = [(subset, mean(winner == row["label"] for winner in winners))]
    return right + ([(f"{subset} agreement", float(winners[0] == winners[1]))] if straight and swapped else [])


def figures(means: Mapping[str, float]) -> Mapping[str, float]:
    accuracy = {subset: means[subset] for subset in SUBSETS if subset in means}
    adversarial = [value for subset, value in accuracy.items() if subset != "Natural"]
    totals = {"average": mean(accuracy.values())} | ({"adversarial": mean(adversarial)} if adversarial else {})
    agreement = {name: means[name] for subset in SUBSETS if (name := f"{subset} agreement") in means}
    return totals | accuracy | agreement


BENCHMARK = Benchmark(
    name="llmbar",
    title="LLMBar",
    source="Zeng et al. 2024, LLMBar (arXiv 2310.07641); github.com/princeton-nlp/LLMBar, Dataset/LLMBar; MIT.",
    files=tuple(f"*{subset}*" for subset in SUBSETS),
    size="419 pairs: Natural 100, Neighbor 134, GPTInst 92, GPTOut 47, Manual 46",
    layout="input, output_1, output_2, label (1 or 2), in SUBSET/dataset.json; checked with all 419 rows.",
    official=(
        "Accuracy is the share of verdicts that equal the label, averaged over both orders; a tie and an unparsed"
        " verdict are wrong. The adversarial score is the mean over the four adversarial subsets; the average is the"
        " mean over all five. Agreement is the share of pairs with the same verdict in both orders; two unparsed"
        " verdicts agree."
    ),
    domains=dict.fromkeys(SUBSETS, "preference"),
    load=load,
    item=item,
    figures=figures,
    always_first=0.5,
    example={
        f"{subset}/dataset.json": [
            {
                "input": f"Name two colours of the {subset} flag.",
                "output_1": f"Blue and white. ({subset})",
                "output_2": f"A flag is a piece of cloth. ({subset})",
                "label": 1,
            },
            {
                "input": f"Write {subset} backwards.",
                "output_1": f"{subset}",
                "output_2": f"{subset[::-1]}",
                "label": 2,
            },
        ]
        for subset in SUBSETS
    },
)
