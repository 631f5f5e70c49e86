"""Socratic-PRMBench: PRMBench's rows and score, for errors in six patterns of reasoning.

score.figures["PRMScore"], score.figures["decomposition_redundancy"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.prmbench import Cell, figures_of, item, solutions
from fathom.bench.step_rules import baselines
from fathom.data.records import Comparison, Domain
from fathom.metrics.step_baselines import longest, random

FILES = ("test_*",)
ERRORS: Mapping[str, tuple[str, ...]] = {
    "repeat": ("counterfactual", "inconsistency"),
    "decomposition": ("incompleteness", "redundancy", "unsoundness"),
    "regather": ("imprecision", "incompleteness", "redundancy"),
    "premise": ("incompleteness", "redundancy", "unsoundness"),
    "conclusion": ("counterfactual", "inconsistency", "invalidity"),
    "correction": ("error",),
    "detection": ("error",),
    "integration": ("incompleteness", "inconsistency", "redundancy", "unsoundness"),
}
"""The kinds of errors, by the words that begin the names of their classes. The pattern of transformation is named
"repeat", that of deduction "premise" and "conclusion", and that of verification "correction" and "detection"."""
DOMAINS: Mapping[str, Domain | None] = dict.fromkeys(
    (f"{part}_{kind}" for part, kinds in ERRORS.items() for kind in kinds), "correctness"
)


def load(folder: Path) -> Iterator[Comparison]:
    return solutions(folder, "socratic_prmbench", FILES)


def figures(cells: Mapping[Cell, float]) -> Mapping[str, float]:
    return figures_of(cells, DOMAINS)


BENCHMARK = Benchmark(
    name="socratic_prmbench",
    title="Socratic-PRMBench",
    source=(
        "Li et al. 2025, Socratic-PRMBench (arXiv 2505.23474); github.com/Xiang-Li-oss/Socratic-PRMBench, whose licence"
        " is not stated."
    ),
    files=FILES,
    size="2,995 solutions with a wrong step, in 20 classes of errors",
    layout=(
        "modified_question, modified_process (steps), error_steps (counted from 1), classification, idx, as PRMBench."
        " Checked with all 2,995 rows."
    ),
    official=(
        "PRMScore, as in PRMBench: the mean of the F1 of right steps and the F1 of wrong steps, pooled over all steps,"
        " and that of each class. Unparsed verdicts do not count."
    ),
    domains=DOMAINS,
    load=load,
    item=item,
    figures=figures,
    scores_steps=True,
    baselines=baselines(random, longest),
    example={
        "test_errors.jsonl": [
            {
                "original_question": "1 + 1 + 1?",
                "modified_question": "1 + 1 + 1?",
                "modified_process": ["1 + 1 = 2", "2 + 1 = 4", "It is 4."],
                "error_steps": [2, 3],
                "classification": name,
                "idx": f"{number}",
            }
            for number, name in enumerate(DOMAINS)
        ]
    },
)
