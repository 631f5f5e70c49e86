"""Makes training rationales of a teacher's judgments: breadth for preference, depth for correctness.

    python examples/synthesise.py [FOLDER]

The teacher is the small world's, which needs no network. With another engine the same code makes the training set of
another model.
"""

import asyncio
import sys
from pathlib import Path

import fathom
from fathom.lab.teacher import Teacher
from fathom.synth import Settings, synthesise, table, write


async def main(out: Path) -> None:
    comparisons = list(fathom.read(Path(__file__).parent / "pairs.jsonl"))
    settings = Settings(arms=("mix",), samples=5)
    async with fathom.CachedEngine(Teacher(), out / "journal.sqlite") as engine:
        result = await synthesise(comparisons, engine, settings)
    write(result, out)
    print(table(result))
    for comparison, rationale in result.rationales("mix")[:2]:
        print(f"\n--- {comparison.id} ({comparison.domain}): {rationale.structure}\n{fathom.render(rationale)}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/synthesised")))
