"""What formal labels (`fathom label --method fover`) say about the steps of ProcessBench, compared with people.

    FATHOM_DATA=... python benchmarks/formal_steps.py gsm8k math

Counts the steps up to and including the first one that people call wrong; people say nothing about later ones. The
rules of translation were made on gsm8k and math, so figures of these are optimistic; olympiadbench and omnimath were
not looked at. Intervals are Wilson's, as if steps were independent.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

from fathom.data.reading import read
from fathom.data.records import Comparison
from fathom.data.steps import first_error
from fathom.labelers import Verdict, verdicts
from fathom.metrics.intervals import wilson

Counts = Counter[tuple[Verdict, bool]]
"""The number of steps with a verdict that people call right (True) or wrong."""


def counted(comparison: Comparison) -> Counts:
    assert comparison.label is not None
    assert comparison.label.steps is not None
    assert comparison.steps is not None
    error = first_error(comparison.label.steps[0])
    judged = comparison.steps[0][: None if error is None else error + 1]
    return Counter((verdict, step != error) for step, verdict in enumerate(verdicts(judged)))


def share(what: str, part: int, whole: int) -> str:
    interval = wilson(part, whole)
    return f"  {what:<58}{part:>6,} of {whole:>6,}  {interval if interval else 'none'}"


def report(counts: Counts) -> list[str]:
    steps = counts.total()
    translated = steps - sum(counts[Verdict.UNTRANSLATED, right] for right in (True, False))
    decided = {verdict: [counts[verdict, right] for right in (True, False)] for verdict in Verdict}
    wrong = sum(counts[verdict, False] for verdict in Verdict)
    return [
        share("steps with a statement that is translated", translated, steps),
        share("steps with a verdict: right or wrong", sum(decided[Verdict.RIGHT] + decided[Verdict.WRONG]), steps),
        share("precision of wrong: people call the step wrong", decided[Verdict.WRONG][1], sum(decided[Verdict.WRONG])),
        share("precision of right: people call the step right", decided[Verdict.RIGHT][0], sum(decided[Verdict.RIGHT])),
        share("recall of wrong steps", decided[Verdict.WRONG][1], wrong),
        share("steps that people call right, of all", steps - wrong, steps),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subsets", nargs="*", default=["gsm8k"])
    folder = Path(os.environ["FATHOM_DATA"]) / "processbench"
    for subset in parser.parse_args().subsets:
        counts: Counts = Counter()
        for comparison in read(folder / f"{subset}.jsonl.gz"):
            counts += counted(comparison)
        print(subset, *report(counts), sep="\n")


if __name__ == "__main__":
    main()
