"""Ranks the responses to each prompt, picks the best of n, and makes preferences for DPO.

python examples/rank.py [FILE]
"""

import asyncio
import sys
from pathlib import Path

import fathom
from fathom.mini import base
from fathom.scaling.preferences import Preference, preference
from fathom.scaling.schedules import round_robin
from fathom.scaling.scores import wins

FILE = Path(__file__).parent / "answers.jsonl"


async def main(file: Path) -> None:
    engine = fathom.LocalEngine(base.PATH)
    judge = fathom.MixJudge(engine=engine, sampling=fathom.Sampling(max_tokens=96), style="depth", trained=True)
    for comparison in fathom.read(file):
        ranking = await fathom.rank(fathom.Swapped(judge), comparison, round_robin, wins)
        print(f"{comparison.id}: scores {ranking.scores}, best {ranking.winner}, label {comparison.label.winner}")
        pair = preference(ranking, min_margin=1)
        if isinstance(pair, Preference):
            print(f"  chosen {pair.chosen}, rejected {pair.rejected}, margin {pair.margin:g}")
        else:
            print(f"  no preference: {pair}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE))
