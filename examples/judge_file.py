"""Judges a file of comparisons with a model in this process and counts how often it is right.

python examples/judge_file.py [FILE] [CHECKPOINT]
"""

import asyncio
import sys
from pathlib import Path

import fathom
from fathom.judging import as_trained, rows
from fathom.metrics.verdicts import tally
from fathom.mini import base

FILE = Path(__file__).parent / "pairs.jsonl"


async def main(file: Path, checkpoint: Path) -> None:
    judge = as_trained(
        checkpoint,
        style="depth",
        engine=fathom.LocalEngine(checkpoint),
        sampling=fathom.Sampling(max_tokens=96),
    )
    judged = [row async for row in rows(judge, fathom.read(file))]
    for row in judged:
        print(row["id"], row["status"], "winner:", row["winner"], "label:", row["label"])
    for group, counted in tally(judged).items():
        print(f"{group}: right {counted.strict}, readable {counted.readable_share}")


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*given, *(FILE, base.PATH)[len(given) :]))
