"""Judges a file of comparisons with a model in this process and counts how often it is right.

    python examples/judge_file.py [FILE] [CHECKPOINT]

A session takes the settings of `fathom judge`; a checkpoint that `fathom train` wrote knows which judge it is.
"""

import sys
from pathlib import Path

import fathom

FILE = Path(__file__).parent / "pairs.jsonl"


def main(file: str = str(FILE), checkpoint: str = "mini") -> None:
    settings = fathom.JudgingSettings(
        engine=fathom.EngineSettings(model=checkpoint),
        judge=fathom.JudgeSettings(style="depth"),
        sampling=fathom.SamplingSettings(max_tokens=96),
    )
    with fathom.Session(settings) as session:
        rows = [fathom.to_row(*judged) for judged in session.judge(fathom.read(file))]
    for row in rows:
        print(row["id"], row["status"], "winner:", row["winner"], "label:", row["label"])
    for group, counted in fathom.tally(rows).items():
        print(f"{group}: right {counted.accuracy}, parsed {counted.parse_rate}")


if __name__ == "__main__":
    main(*sys.argv[1:])
