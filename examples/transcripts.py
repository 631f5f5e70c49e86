"""Makes verdicts of texts that another tool recorded: no model is asked, and every figure can be computed of them.

    python examples/transcripts.py [FILE] [OUT]
    fathom score OUT

A row of FILE is a comparison in any layout, and beside it the judge's texts, here two: one that saw the responses as
they stand in the row, and one that saw them swapped. For the official score of a benchmark take its comparisons from
`fathom.bench.find(NAME).load(FOLDER)` instead of `fathom.read`.
"""

import sys
from pathlib import Path

import fathom

FILE = Path(__file__).parent / "transcripts.jsonl"
ORDERS = [(0, 1), (1, 0)]


def main(file: Path = FILE, out: Path = Path("runs/transcripts.jsonl")) -> None:
    judge = fathom.ArenaHardJudge()  # reads [[A>>B]], [[A>B]], [[A=B]], ... as it was published
    rows = []
    for comparison in fathom.read(file):
        texts = comparison.metadata["judgments"]  # a column that no field takes is kept here
        completions = [None if text is None else fathom.Completion(text) for text in texts]  # None: the call failed
        verdict = fathom.verdict_from_completions(judge, comparison, zip(ORDERS, completions, strict=True))
        rows.append(fathom.to_row(comparison, verdict))
        print(comparison.id, verdict.status, "winner:", verdict.winner, "label:", comparison.label.winner)
    fathom.write_jsonl(out, rows)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
