"""Schedules: which pairs of n responses are compared, round by round.

    schedule = swiss(5)
    pairs = next(schedule)                   # the first round: pairs that can be judged concurrently
    pairs = schedule.send(outcomes)          # the next round, given all outcomes so far; StopIteration at the end

`outcomes` maps a pair to the index of its winner, or to None for a tie. A judged pair without an entry is missing (its
verdict could not be read) and changes no standing. No schedule repeats a pair. n must be at least 2.

Round-robin compares all pairs. Circular and Swiss compare every response equally often, except for byes if n is odd.
Knock-out needs the fewest comparisons to find the best response, pivot to find the whole order.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Mapping, Sequence
from itertools import combinations

Pair = tuple[int, int]
"""The indices of two responses, the smaller one first."""
Outcomes = Mapping[Pair, int | None]
"""The winner of each pair with a readable verdict; None for a tie."""
Rounds = Generator[list[Pair], Outcomes, None]
Schedule = Callable[[int], Rounds]


def round_robin(n: int) -> Rounds:
    """All n (n - 1) / 2 pairs, in one round."""
    yield list(combinations(range(n), 2))


def circular(n: int) -> Rounds:
    """Each response against the next, and the last against the first: n pairs (1 if n is 2), in one round."""
    yield sorted({_pair(i, (i + 1) % n) for i in range(n)})


def swiss(n: int) -> Rounds:
    """A Swiss tournament of ceil(log2 n) rounds: each round pairs responses with about equal points.

    A win is 1 point and a tie 1/2. If n is odd, the lowest response that has not had a bye sits out; the bye counts as
    a win for pairing only and is not an outcome. If the better response won every comparison, the best response is the
    only unbeaten one at the end.
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
    """A knock-out tournament: n - 1 pairs if no pair ties or is missing.

    Both responses of a tied or missing pair advance. The bracket follows the order of the responses.
    """
    left = list(range(n))
    met: set[Pair] = set()
    while pairs := _neighbours(left, met):
        met |= set(pairs)
        outcomes = yield pairs
        beaten = {_other(pair, winner) for pair in pairs if (winner := outcomes.get(pair)) is not None}
        # A response without an opponent goes first, so that it gets one in the next round.
        paired = {i for pair in pairs for i in pair}
        left = sorted((i for i in left if i not in beaten), key=lambda i: (i in paired, i))


def pivot(n: int) -> Rounds:
    """Quicksort: the first response of a group is compared with all others, which splits them into better and worse.

    Responses that tie with the pivot, or whose pair is missing, are not compared further. About 2 n ln n pairs on
    average.
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
"""Schedules whose pairs do not depend on outcomes; they have one round."""


def most_pairs(schedule: str, n: int) -> int:
    """The largest number of pairs that the named schedule can compare among n responses.

    Knock-out compares all pairs if every pair ties, pivot if every pivot is the best or the worst of its group.
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
    """Pair each response with the next free one it has not met; a response without such an opponent stays unpaired."""
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
