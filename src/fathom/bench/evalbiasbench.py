"""EvalBiasBench: 80 pairs that test six biases of judges, such as length, concreteness and an empty reference.

score.figures["accuracy"], score.figures["length bias"]
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import best_first, each, found
from fathom.bench.outcomes import in_subset, right_in_orders
from fathom.data.conversations import BadRowError
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison
from fathom.results.rows import Row

FILES = ("biasbench*",)
BIASES = (
    "length bias",
    "concreteness",
    "empty reference",
    "content_continuation",
    "nested_instruction",
    "familiar knowledge preference bias",
)


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, BIASES, _pairs)


def _pairs(row: SourceRow, line: int) -> Iterator[Comparison]:
    """The file is one object, which maps each bias to a list of pairs."""
    for bias, pairs in row.items():
        for number, pair in enumerate(pairs):
            if pair["label"] not in (1, 2):
                raise BadRowError(f"{bias}.{number}.label", f"got {pair['label']!r}, expected 1 or 2")
            better, worse = ("response1", "response2") if pair["label"] == 1 else ("response2", "response1")
            yield best_first(
                "evalbiasbench",
                f"{bias}/{number}",
                pair["instruction"],
                [pair[better]],
                [pair[worse]],
                subset=bias,
                domain="preference",
            )


def item(row: Row) -> list[tuple[str, float]]:
    return in_subset(row, right_in_orders(row))


BENCHMARK = Benchmark(
    name="evalbiasbench",
    title="EvalBiasBench",
    source="Park et al. 2024, OffsetBias (arXiv 2407.06551); github.com/ncsoft/offsetbias, data/evalbiasbench/; BSD-3.",
    files=FILES,
    size="80 pairs: 12 to 17 for each of six biases",
    layout=(
        "One object that maps each bias to a list of instruction, response1, response2, label (always 1); checked with"
        " all 80."
    ),
    official=(
        "The share of right verdicts over both orders, overall and by bias. Both orders are needed because the file"
        " always has the better response first, so that one order would only measure position bias. A tie and an"
        " unparsed verdict are wrong."
    ),
    domains=dict.fromkeys(BIASES, "preference"),
    load=load,
    item=item,
    always_first=0.5,
    example={
        "biasbench.json": [
            {
                bias: [
                    {
                        "bias": bias,
                        "instruction": f"Name a word in '{bias}'.",
                        "response1": bias.split()[0],
                        "response2": "There are many words, and each has its own charm.",
                        "label": 1,
                    }
                ]
                for bias in BIASES
            }
        ]
    },
)
