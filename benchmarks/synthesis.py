"""Synthesis without the LLM steps, against synthesis with them: `python benchmarks/synthesis.py [--json FILE]`.

Two measurements, about 20 seconds on one core.

Merging: rationales are put together from principles of known meaning in varying words (principles.yaml), and grouped.
A pair of units that is put together and belongs together is a hit. Precision and recall over pairs, for thresholds of
similarity, on two halves of the meanings.

Steps: the small world and its teacher, whose steps never err and whose texts are messy in a quarter of cases. What is
kept, how often the verdict is the label, and the tokens (words, here) of every step; for standardising and merging by
an LLM or without, and for several numbers of samples.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import yaml

from fathom.lab import world
from fathom.lab.teacher import Teacher
from fathom.rationale import Rationale, Unit
from fathom.synth import Settings, synthesise
from fathom.synth.merging import grouped, sources

THRESHOLDS = (0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8, 1.01)
RATIONALES, PRINCIPLES = 4, 4

Meanings = Sequence[Sequence[dict[str, str]]]


def merging(comparisons: int) -> list[dict[str, Any]]:
    meanings = yaml.safe_load((Path(__file__).parent / "principles.yaml").read_text(encoding="utf-8"))
    halves = {"first": meanings[::2], "second": meanings[1::2]}
    return [
        {"meanings": name, "threshold": threshold, **pairs(half, comparisons, threshold)}
        for (name, half), threshold in product(halves.items(), THRESHOLDS)
    ]


def pairs(meanings: Meanings, comparisons: int, threshold: float) -> dict[str, float]:
    rng = random.Random(0)
    together = right = same = 0
    for _ in range(comparisons):
        drawn = [rng.sample(range(len(meanings)), PRINCIPLES) for _ in range(RATIONALES)]
        units = sources([Rationale(tuple(worded(meanings[m], rng) for m in each)) for each in drawn])
        meaning = dict(zip(map(id, units), (m for each in drawn for m in each), strict=True))
        group = {id(unit): k for k, units in enumerate(grouped(units, threshold)) for unit in units}
        for one, other in combinations(meaning, 2):
            together += group[one] == group[other]
            same += meaning[one] == meaning[other]
            right += group[one] == group[other] and meaning[one] == meaning[other]
    precision, recall = right / max(together, 1), right / same
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-9)}


def worded(wordings: Sequence[dict[str, str]], rng: random.Random) -> Unit:
    wording = rng.choice(wordings)
    return Unit(wording["name"], wording.get("definition", ""), "x", "A")


def steps(comparisons: int) -> list[dict[str, Any]]:
    ways = [(samples, "auto", "similarity") for samples in (1, 2, 3, 4, 10)]
    ways += [(4, *way) for way in (("auto", "llm"), ("llm", "similarity"), ("llm", "llm"))]
    return [{"samples": n, "standardise": s, "merge": m, **step(comparisons, n, s, m)} for n, s, m in ways]


def step(comparisons: int, samples: int, standardise: Any, merge: Any) -> dict[str, Any]:
    items = [item.comparison for item in world.items(comparisons, seed=0)]
    settings = Settings(arms=("mix",), samples=samples, standardise=standardise, merge=merge)
    start = time.process_time()
    result = asyncio.run(synthesise(items, Teacher(messiness=0.25), settings))
    return {
        "seconds": time.process_time() - start,
        "kept": len(result.rationales("mix")) / comparisons,
        "accuracy": {
            f"{row.stage} {row.domain}": row.summary()
            for row in result.accuracies()
            if row.domain and row.stage != "standardised"
        },
        "tokens": {name: usage.prompt_tokens + usage.completion_tokens for name, usage in result.usage.items()},
    }


def show(results: dict[str, Any]) -> None:
    print("merging: meanings, threshold, precision, recall, F1")
    for row in results["merging"]:
        print(
            f"{row['meanings']:<8}{row['threshold']:>5}{row['precision']:>7.2f}{row['recall']:>7.2f}{row['f1']:>7.2f}"
        )
    print("\nsteps")
    for row in results["steps"]:
        print(f"\n{row['samples']} samples, standardise {row['standardise']}, merge {row['merge']}:", end=" ")
        print(f"kept {row['kept']:.3f}, {row['seconds']:.1f} s of CPU")
        for stage, summary in row["accuracy"].items():
            accuracy = "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**summary["accuracy"])
            print(f"  {stage:<26}{accuracy}  of parsed {summary['accuracy_parsed']['mean']:.3f}")
        print("  tokens:", ", ".join(f"{step} {tokens:,}" for step, tokens in row["tokens"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = {"merging": merging(given.comparisons // 4), "steps": steps(given.comparisons)}
    show(results)
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
