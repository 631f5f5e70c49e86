"""Several votes on each comparison, in both orders of its responses, with a journal: run it twice.

    python examples/votes.py [JOURNAL]

The second run asks the model nothing, because every completion is in the journal.
"""

import asyncio
import sys
from pathlib import Path

import fathom


async def main(journal: Path) -> None:
    async with fathom.CachedEngine(fathom.LocalEngine("mini"), journal) as engine:
        sampling = fathom.Sampling(temperature=1.0, max_tokens=96)
        judge = fathom.MixJudge(engine=engine, sampling=sampling, style="depth", trained=True)
        model = fathom.Repeated(fathom.Swapped(judge), 3)
        comparisons = fathom.read(Path(__file__).parent / "pairs.jsonl")
        async for comparison, verdict in fathom.judge_all(model, comparisons):
            says = "".join("tie" if vote.winner is None else "AB"[vote.winner] for vote in verdict.votes)
            print(
                f"{comparison.id}: {verdict.status} winner={verdict.winner} votes={says} agreement={verdict.agreement}"
            )
        print(f"asked the model {engine.misses} times")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/votes.journal")))
