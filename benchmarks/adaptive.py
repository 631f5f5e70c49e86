"""What adaptive votes do to judges that are known exactly: python benchmarks/adaptive.py [--comparisons 1000]

The first table is computed, not sampled: majorities of 32 votes by judges whose probability of being right is the same
on every comparison, the hardest case for the tolerance of 0.03. The second simulates sums of scores: integers from 1 to
10, normally distributed scores, and scores of which one vote in twenty weighs as much as nine usual ones. Each
comparison has a true margin of its own; `spread` is its standard deviation.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from statistics import fmean

from fathom.judges import Rule, Vote
from fathom.lab.reproductions.adaptive_votes import MOST, exactly
from fathom.rationale import Status
from fathom.voting.adaptive import votes_until_settled

TOLERANCE = 0.03
SUM = Rule(aggregate="sum")


def integers(rng: random.Random, margin: float) -> tuple[float, float]:
    first, second = (float(min(10, max(1, round(rng.gauss(5.5 + shift, 2))))) for shift in (margin, -margin))
    return first, second


def normal(rng: random.Random, margin: float) -> tuple[float, float]:
    return rng.gauss(margin, 1), rng.gauss(-margin, 1)


def rare(rng: random.Random, margin: float) -> tuple[float, float]:
    weight = 9.0 if rng.random() < 0.05 else 1.0
    sign = 1.0 if rng.gauss(margin, 1) > 0 else -1.0
    return weight * sign, 0.0


KINDS: dict[str, Callable[[random.Random, float], tuple[float, float]]] = {
    "integers from 1 to 10": integers,
    "normally distributed": normal,
    "one vote in twenty weighs nine": rare,
}


def simulated(kind: str, spread: float, comparisons: int) -> tuple[float, float]:
    """The share of the votes that are cast, and the share of verdicts that differ from those of all votes."""
    rng = random.Random(f"{kind}/{spread}")
    shares, others = [], []
    for _ in range(comparisons):
        margin = rng.gauss(0, spread)
        votes = [_vote(KINDS[kind](rng, margin)) for _ in range(MOST)]
        cast = votes_until_settled(votes, SUM, TOLERANCE)
        shares.append(cast / MOST)
        others.append(SUM(votes[:cast]).winner != SUM(votes).winner)
    return fmean(shares), fmean(others)


def _vote(scores: tuple[float, float]) -> Vote:
    winner = None if scores[0] == scores[1] else int(scores[1] > scores[0])
    return Vote(Status.OK, winner=winner, scores=scores, order=(0, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=1000)
    given = parser.parse_args()
    print(
        f"independent votes, majority of {MOST}, tolerance {TOLERANCE}\naccuracy  votes  other verdicts  accuracy lost"
    )
    for accuracy in (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.85, 0.95):
        found = exactly(accuracy, 0.0)
        print(f"{accuracy:8.2f}  {found.tokens:5.3f}  {found.other:14.3f}  {-found.difference:13.4f}")
    print(f"\nsums of scores, {given.comparisons} comparisons")
    print(f"{'scores':30}  spread  votes  other verdicts")
    for kind in KINDS:
        for spread in (0.25, 0.5, 1.0):
            votes, other = simulated(kind, spread, given.comparisons)
            print(f"{kind:30}  {spread:6.2f}  {votes:5.3f}  {other:14.3f}")


if __name__ == "__main__":
    main()
