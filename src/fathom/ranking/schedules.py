"""Which pairs of n responses are compared, and in which order.

    schedule = swiss(5)
    pairs = next(schedule)                   # the first round: pairs that can be asked at the same time
    pairs = schedule.send(outcomes)          # the next one, given all outcomes so far; StopIteration at the end

`outcomes` maps a pair to its winner, or to None for a tie. A pair that was asked and is not in it could not be read:
it is missing, and nobody moves up or down for it. No schedule asks a pair twice. n is at least 2.

Round-robin compares all pairs. Circular and Swiss compare each response equally often, but for those that sit out where
n is odd. Knock-out finds the best, pivot the whole order, in the fewest comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Mapping, Sequence
from itertools import combinations

Pair = tuple[int, int]
"""Two responses by their indices, the smaller one first."""
Outcomes = Mapping[Pair, int | None]
"""The winner of each pair that could be read; None is a tie."""
Rounds = Generator[list[Pair], Outcomes, None]
Schedule = Callable[[int], Rounds]


def round_robin(n: int) -> Rounds:
    """All n (n - 1) / 2 pairs, in one round."""
    yield list(combinations(range(n), 2))


def circular(n: int) -> Rounds:
    """Each response against the next one, and the last against the first: n pairs (one where n is 2), in one round."""
    yield sorted({_pair(i, (i + 1) % n) for i in range(n)})


def swiss(n: int) -> Rounds:
    """About log2 n rounds; in each, responses meet that have won equally often so far.

    A tie is half a win, and so much for both. Where the number is odd, the lowest that has not done so yet sits out,
    and stands in the next round as if it had won. Nothing else is made of that: it is no outcome. Where no response has
    lost to a worse one, the best one alone is unbeaten at the end.
    """
    sat_out: set[int] = set()
    met: set[Pair] = set()
    outcomes: Outcomes = {}
    for _ in range((n - 1).bit_length()):
        points = [_points(i, outcomes) + (i in sat_out) for i in range(n)]
        standing = sorted(range(n), key=lambda i: (-points[i], i))
        if n % 2:
            resting = next(i for i in reversed(standing) if i not in sat_out)
            sat_out.add(resting)
            standing.remove(resting)
        pairs = _neighbours(standing, met)
        if not pairs:
            return
        met |= set(pairs)
        outcomes = yield pairs


def knock_out(n: int) -> Rounds:
    """Neighbours meet and the winners go on, until one is left: n - 1 pairs where there is neither tie nor gap.

    Of a pair that ties, or is missing, both go on. The order in which they stand is the draw.
    """
    left = list(range(n))
    met: set[Pair] = set()
    while pairs := _neighbours(left, met):
        met |= set(pairs)
        outcomes = yield pairs
        beaten = {_other(pair, winner) for pair in pairs if (winner := outcomes.get(pair)) is not None}
        # Whoever had no opponent stands first, so that it has one in the next round.
        paired = {i for pair in pairs for i in pair}
        left = sorted((i for i in left if i not in beaten), key=lambda i: (i in paired, i))


def pivot(n: int) -> Rounds:
    """Sorts as quicksort does: the first of a group meets all others in it, and divides them into better and worse.

    Those that tie with it, or whose pair is missing, are not compared further. About 2 n ln n pairs on average.
    """
    groups = [list(range(n))]
    while groups:
        outcomes = yield [_pair(group[0], i) for group in groups for i in group[1:]]
        groups = [part for group in groups for part in _divided(group, outcomes) if len(part) > 1]


SCHEDULES: Mapping[str, Schedule] = {
    "round-robin": round_robin,
    "circular": circular,
    "swiss": swiss,
    "knock-out": knock_out,
    "pivot": pivot,
}

FIXED = frozenset({"round-robin", "circular"})
"""Schedules of one round, which asks the same pairs whatever their outcomes are."""


def most_pairs(schedule: str, n: int) -> int:
    """The most pairs that the schedule of that name asks of n responses, whatever their outcomes are.

    Knock-out and pivot ask all pairs where everything ties, or where each pivot turns out the best.
    """
    every = n * (n - 1) // 2
    if schedule == "swiss":
        return min(every, (n - 1).bit_length() * (n // 2))
    return len(next(SCHEDULES[schedule](n))) if schedule in FIXED else every


def _pair(i: int, j: int) -> Pair:
    return (i, j) if i < j else (j, i)


def _other(pair: Pair, one: int) -> int:
    return pair[0] + pair[1] - one


def _points(i: int, outcomes: Outcomes) -> float:
    return sum(1.0 if winner == i else 0.5 for pair, winner in outcomes.items() if i in pair and winner in (i, None))


def _neighbours(standing: Sequence[int], met: Container[Pair]) -> list[Pair]:
    """Each with the next one that is free and that it has not met; who finds none stays alone."""
    free = list(standing)
    pairs = []
    while free:
        one = free.pop(0)
        other = next((i for i in free if _pair(one, i) not in met), None)
        if other is not None:
            free.remove(other)
            pairs.append(_pair(one, other))
    return pairs


def _divided(group: Sequence[int], outcomes: Outcomes) -> tuple[list[int], list[int]]:
    first, *others = group
    winners = {i: outcomes.get(_pair(first, i)) for i in others}
    return [i for i in others if winners[i] == i], [i for i in others if winners[i] == first]
