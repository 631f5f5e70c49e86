"""Ranks the responses to each prompt, picks the best of n, and makes preferences for DPO.

python examples/rank.py [FILE]
"""

import asyncio
import sys
from pathlib import Path

import fathom

FILE = Path(__file__).parent / "answers.jsonl"


async def main(file: Path) -> None:
    engine = fathom.LocalEngine("mini")
    judge = fathom.MixJudge(engine=engine, sampling=fathom.Sampling(max_tokens=96), style="depth", trained=True)
    for comparison in fathom.read(file):
        ranking = await fathom.rank(fathom.Swapped(judge), comparison, fathom.round_robin, fathom.wins)
        print(f"{comparison.id}: scores {ranking.scores}, best {ranking.winner}, label {comparison.label.winner}")
        pair = fathom.preference(ranking, min_margin=1)
        if isinstance(pair, fathom.Preference):
            print(f"  chosen {pair.chosen}, rejected {pair.rejected}, margin {pair.margin:g}")
        else:
            print(f"  no preference: {pair}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE))
