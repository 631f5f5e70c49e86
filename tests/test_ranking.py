"""Schedules, scores and rankings: an order that is there is found, and what could not be read moves nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison, Label
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import RewardModel, Rule, Vote
from fathom.ranking import PairVotes, Ranking, rank, share
from fathom.ranking.preferences import Preference, preference
from fathom.ranking.reducers import PRIOR, REDUCERS, Reducer, Scores, bradley_terry, wins
from fathom.ranking.schedules import SCHEDULES, Outcomes, Pair, Schedule, round_robin
from fathom.ranking.tau import kendall_tau
from fathom.rationale import Status
from fathom.results.rows import preference_row
from fathom.voting.wrappers import Swapped

MISSING = "missing"


def played(schedule: Schedule, n: int, says: Callable[[Pair], int | str | None]) -> dict[Pair, int | None]:
    """The outcomes of a schedule, where `says` gives a pair's winner, None for a tie, or MISSING."""
    outcomes: dict[Pair, int | None] = {}
    asked: set[Pair] = set()
    rounds = schedule(n)
    pairs = next(rounds)
    while True:
        assert pairs, "a round asks something"
        assert all(0 <= i < j < n for i, j in pairs)
        assert len(set(pairs)) == len(pairs)
        assert not asked & set(pairs), "no pair is asked twice"
        asked |= set(pairs)
        outcomes |= {pair: winner for pair in pairs if (winner := says(pair)) != MISSING}  # type: ignore[misc]
        try:
            pairs = rounds.send(outcomes)
        except StopIteration:
            return outcomes


def best_first(order: list[int]) -> Callable[[Pair], int]:
    return lambda pair: min(pair, key=order.index)


def found(scores: Scores) -> list[int]:
    assert None not in scores
    return sorted(range(len(scores)), key=lambda i: -(scores[i] or 0.0))


orders = st.integers(2, 14).flatmap(lambda n: st.permutations(range(n)))


@st.composite
def outcomes_of(draw: st.DrawFn) -> tuple[int, dict[Pair, int | None]]:
    """Any outcomes: with ties, gaps and circles."""
    n = draw(st.integers(2, 6))
    said = {pair: draw(st.sampled_from([*pair, None, MISSING])) for pair in next(round_robin(n))}
    return n, {pair: winner for pair, winner in said.items() if winner != MISSING}


# Schedules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduce", REDUCERS.values(), ids=REDUCERS)
@given(orders)
def test_all_pairs_give_the_order_exactly_where_no_verdict_is_wrong(reduce: Reducer, order: list[int]) -> None:
    scores = reduce(len(order), played(round_robin, len(order), best_first(order)))
    assert found(scores) == order
    assert len(set(scores)) == len(order)


@given(orders)
def test_pivot_gives_the_order_exactly_with_bradley_terry(order: list[int]) -> None:
    scores = bradley_terry(len(order), played(SCHEDULES["pivot"], len(order), best_first(order)))
    assert found(scores) == order


@pytest.mark.parametrize("name", ["round-robin", "pivot", "swiss", "knock-out"])
@pytest.mark.parametrize("reduce", ["bradley-terry", "borda"])
@given(orders)
def test_the_best_response_alone_is_at_the_top_where_no_verdict_is_wrong(
    name: str, reduce: str, order: list[int]
) -> None:
    scores = REDUCERS[reduce](len(order), played(SCHEDULES[name], len(order), best_first(order)))
    assert [i for i in order if scores[i] == max(score for score in scores if score is not None)] == order[:1]


@pytest.mark.parametrize("name", SCHEDULES)
@given(orders)
def test_bradley_terry_contradicts_no_verdict_where_an_order_explains_all(name: str, order: list[int]) -> None:
    outcomes = played(SCHEDULES[name], len(order), best_first(order))
    scores = bradley_terry(len(order), outcomes)
    for (i, j), winner in outcomes.items():
        assert scores[winner] > scores[i + j - winner]  # type: ignore[index,operator]


@given(orders)
def test_the_numbers_of_pairs_are_those_of_the_page(order: list[int]) -> None:
    n = len(order)
    count = {name: len(played(schedule, n, best_first(order))) for name, schedule in SCHEDULES.items()}
    assert count["round-robin"] == n * (n - 1) / 2
    assert count["knock-out"] == n - 1
    assert count["circular"] == (n if n > 2 else 1)
    assert count["swiss"] <= (n - 1).bit_length() * (n // 2)
    assert n - 1 <= count["pivot"] <= count["round-robin"]


@pytest.mark.parametrize("name", SCHEDULES)
@given(st.integers(2, 10), st.randoms(use_true_random=False))
def test_schedules_end_whatever_is_tied_or_missing(name: str, n: int, rng: random.Random) -> None:
    played(SCHEDULES[name], n, lambda pair: rng.choice([*pair, None, MISSING]))


@pytest.mark.parametrize("says", [None, MISSING])
def test_a_knock_out_lets_both_go_on_where_nothing_tells_them_apart(says: str | None) -> None:
    asked = []
    played(SCHEDULES["knock-out"], 4, lambda pair: (asked.append(pair), says if 3 in pair else pair[0])[1])
    # 0 beats 1, and 2 and 3 go on; 0 beats 2 while 3 has no opponent; then 3 meets 0, and nothing tells those apart.
    assert asked == [(0, 1), (2, 3), (0, 2), (0, 3)]


# Scores ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduce", REDUCERS.values(), ids=REDUCERS)
@given(outcomes_of(), st.randoms(use_true_random=False))
def test_relabelled_responses_have_the_same_scores(
    reduce: Reducer, said: tuple[int, Outcomes], rng: random.Random
) -> None:
    n, outcomes = said
    new = list(range(n))
    rng.shuffle(new)
    relabelled = {
        tuple(sorted((new[i], new[j]))): None if winner is None else new[winner] for (i, j), winner in outcomes.items()
    }
    scores, others = reduce(n, outcomes), reduce(n, relabelled)  # type: ignore[arg-type]
    assert [others[new[i]] for i in range(n)] == pytest.approx(list(scores), abs=1e-8)


@pytest.mark.parametrize("reduce", REDUCERS.values(), ids=REDUCERS)
def test_ties_give_equal_scores(reduce: Reducer) -> None:
    level = reduce(4, dict.fromkeys(next(round_robin(4))))
    circle = reduce(3, {(0, 1): 0, (1, 2): 1, (0, 2): 2})
    assert len(set(level)) == len(set(circle)) == 1
    first, second, third = reduce(3, {(0, 1): None, (0, 2): 0, (1, 2): 1})
    assert first == second
    assert first is not None
    assert third is not None
    assert first > third


@pytest.mark.parametrize("reduce", REDUCERS.values(), ids=REDUCERS)
def test_a_response_of_which_nothing_could_be_read_has_no_score(reduce: Reducer) -> None:
    scores = reduce(3, {(0, 2): 2})
    assert scores[1] is None
    assert [score is None for score in reduce(3, {})] == [True] * 3


def test_points_and_shares_are_as_counted_by_hand() -> None:
    outcomes = {(0, 1): 0, (0, 2): None, (1, 2): 1, (0, 3): 3}
    assert wins(4, outcomes) == (1.5, 1.0, 0.5, 1.0)
    assert REDUCERS["borda"](4, outcomes) == (1.5 / 3, 1 / 2, 0.5 / 2, 1.0)


@given(outcomes_of())
def test_bradley_terry_is_what_a_general_optimiser_finds(said: tuple[int, Outcomes]) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    n, outcomes = said

    def cost(strengths: np.ndarray) -> float:
        """Written down pair by pair, from the definition: the prior is PRIOR / n of a tie with a strength of 0."""
        total = sum(PRIOR / n * (np.logaddexp(0, s) + np.logaddexp(0, -s)) / 2 for s in strengths)
        for (i, j), winner in outcomes.items():
            gap = strengths[i] - strengths[j]
            i_wins, j_wins = np.logaddexp(0, -gap), np.logaddexp(0, gap)
            total += i_wins if winner == i else j_wins if winner == j else (i_wins + j_wins) / 2
        return float(total)

    reference = optimize.minimize(cost, np.zeros(n), method="BFGS", options={"gtol": 1e-9})
    scores = bradley_terry(n, outcomes)
    ours = np.array([0.0 if score is None else score for score in scores])
    assert cost(ours) <= reference.fun + 1e-9
    compared = [i for i in range(n) if scores[i] is not None]
    assert ours[compared] == pytest.approx(reference.x[compared], abs=0.02)


@pytest.mark.parametrize("reduce", REDUCERS.values(), ids=REDUCERS)
@pytest.mark.parametrize(("votes", "least"), [(1, 0.83), (2, 0.9)], ids=["one order", "both orders"])
def test_one_wrong_vote_in_ten_leaves_most_of_the_order(votes: int, least: float, reduce: Reducer) -> None:
    """docs/ranking.md states these values."""
    rng = random.Random(7)
    order = list(range(8))
    taus = []
    for _ in range(400):
        rng.shuffle(order)
        taus.append(kendall_tau(noisy_scores(reduce, order, votes, rng), [-order.index(i) for i in range(8)]))
    assert mean(tau for tau in taus if tau is not None) >= least
    assert None not in taus


def noisy_scores(reduce: Reducer, order: list[int], votes: int, rng: random.Random) -> list[float]:
    def says(pair: Pair) -> int | None:
        better = best_first(order)(pair)
        cast = {sum(pair) - better if rng.random() < 0.1 else better for _ in range(votes)}
        return cast.pop() if len(cast) == 1 else None

    return [score or 0.0 for score in reduce(8, played(round_robin, 8, says))]


def test_kendalls_tau_is_as_worked_out_by_hand() -> None:
    assert kendall_tau([3, 2, 1], [9, 5, 4]) == 1
    assert kendall_tau([1, 2, 3], [9, 5, 4]) == -1
    # Of 6 pairs 4 agree, 1 does not, 1 is tied on one side only: (4 - 1) / sqrt(5 * 6).
    assert kendall_tau([4, 3, 3, 1], [4, 2, 3, 9 / 4]) == pytest.approx((4 - 1) / (5 * 6) ** 0.5)
    assert kendall_tau([1, 1], [1, 2]) is None


# Rankings -------------------------------------------------------------------------------------------------------------


@dataclass
class Longest(RewardModel):
    """Prefers the longer response; cannot read what it says of `unreadable` texts, and prefers the first of equals."""

    unreadable: frozenset[str] = frozenset()
    seen: list[Comparison] = field(default_factory=list)

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        self.seen.append(comparison)
        first, second = comparison.responses
        if {first, second} & self.unreadable:
            return [Vote(Status.MISSING, order=(0, 1), usage=Usage(5, 1))]
        return [Vote(Status.OK, winner=0 if len(first) >= len(second) else 1, order=(0, 1), usage=Usage(5, 1))]


def comparison(*responses: str, prompt: str = "Say more.") -> Comparison:
    return Comparison(id="c", prompt=prompt, responses=responses, label=Label(best=0), source_order=None)


def ranked(
    voter: RewardModel, *responses: str, schedule: str = "round-robin", reduce: str = "bradley-terry"
) -> Ranking:
    return asyncio.run(rank(voter, comparison(*responses), SCHEDULES[schedule], REDUCERS[reduce]))


def test_a_ranking_has_scores_an_order_a_winner_and_the_verdicts_behind_them() -> None:
    ranking = ranked(Swapped(Longest()), "aa", "a", "aaaa", "bb")
    assert ranking.order == ((2,), (0, 3), (1,))
    assert ranking.winner == 2
    assert ranking.missing == ()
    winners = {pair: None if won.winner is None else pair[won.winner] for pair, won in ranking.verdicts.items()}
    assert winners == {(0, 1): 0, (0, 2): 2, (0, 3): None, (1, 2): 2, (1, 3): 3, (2, 3): 2}
    assert [len(verdict.votes) for verdict in ranking.verdicts.values()] == [2] * 6
    assert ranking.usage == Usage(60, 12)


def test_an_unreadable_pair_is_missing_and_moves_no_score() -> None:
    voter = Longest(unreadable=frozenset({"bad"}))
    ranking = ranked(voter, "a", "bad", "aaa")
    assert ranking.missing == ((0, 1), (1, 2))
    assert ranking.scores[1] is None
    assert ranking.order == ((2,), (0,))
    assert ranked(voter, "bad", "a").order == ()
    assert ranked(voter, "bad", "a").winner is None


def test_no_label_and_no_placement_reaches_the_judge() -> None:
    voter = Longest()
    ranked(voter, "a", "aa", "aaa")
    assert {(seen.label, seen.source_order) for seen in voter.seen} == {(None, None)}
    assert len({seen.id for seen in voter.seen}) == 3


def test_one_response_cannot_be_ranked() -> None:
    with pytest.raises(FathomError, match="'c' has 1 response"):
        ranked(Longest(), "alone")


# Preferences ----------------------------------------------------------------------------------------------------------


def by_wins(*responses: str, voter: RewardModel | None = None) -> Ranking:
    return ranked(voter or Swapped(Longest()), *responses, reduce="wins")


def test_the_most_points_are_chosen_and_the_fewest_rejected() -> None:
    # Lengths 2, 1, 3: 2 points, 0 points, 1 point for the places.
    assert preference(by_wins("aa", "a", "aaa")) == Preference(chosen=2, rejected=1, margin=2.0)
    assert preference(by_wins("aa", "a", "aaa"), min_margin=2.5) == "margin"


def test_ties_leave_a_comparison_out_unless_the_first_is_to_be_taken() -> None:
    top = by_wins("aaa", "a", "bbb")
    assert preference(top) == "tie"
    assert preference(top, ties="first") == Preference(chosen=0, rejected=1, margin=1.5)
    assert preference(by_wins("aa", "a", "b"), ties="first") == Preference(chosen=0, rejected=1, margin=1.5)
    assert preference(by_wins("a", "b", "c"), ties="first") == "tie"


@dataclass
class Counting(RewardModel):
    """Casts, for each pair of texts, as many votes for the first, for the second and for a tie as it is told."""

    votes_on: dict[tuple[str, str], tuple[int, int, int]]

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        first, second, tied = self.votes_on[comparison.responses[0], comparison.responses[1]]
        winners = [0] * first + [1] * second + [None] * tied
        return [Vote(Status.OK, winner=winner, order=(0, 1)) for winner in winners]


CIRCLE = Counting({("a", "b"): (9, 7, 0), ("a", "c"): (6, 10, 0), ("b", "c"): (9, 7, 0)})
"""a beats b, b beats c, c beats a: each has a win; but c has more votes."""


@pytest.mark.parametrize("reduce", ["wins", "borda", "bradley-terry"])
def test_shares_of_votes_break_ties_of_verdicts(reduce: str) -> None:
    def order(tells: Any) -> Any:
        return asyncio.run(rank(CIRCLE, comparison("a", "b", "c"), round_robin, REDUCERS[reduce], tells)).order

    assert order("verdict") == ((0, 1, 2),)
    # Points: a 9 + 6, b 7 + 9, c 10 + 7 of 16.
    assert order("votes") == ((2,), (1,), (0,))


def test_a_tied_vote_is_half_for_both_and_scores_add_up() -> None:
    voter = Counting({("a", "b"): (1, 1, 2), ("a", "c"): (3, 0, 1), ("b", "c"): (0, 2, 2)})
    ranking = asyncio.run(rank(voter, comparison("a", "b", "c"), round_robin, wins, "votes"))
    assert ranking.scores == (0.5 + 0.875, 0.5 + 0.25, 0.125 + 0.75)
    assert (ranking.votes(0, 2), ranking.votes(2, 0)) == (PairVotes(3, 0, 1), PairVotes(0, 3, 1))
    assert ranking.votes(0, 2).share == 0.875


def test_a_share_of_1_or_0_is_a_win() -> None:
    outcomes: dict[Pair, int | None] = {(0, 1): 0, (0, 2): 2, (1, 2): None}
    for reduce in REDUCERS.values():
        assert reduce(3, {(0, 1): 1.0, (0, 2): 0.0, (1, 2): 0.5}) == pytest.approx(reduce(3, outcomes))


def test_probabilities_are_shares_where_these_are_counted() -> None:
    likely = Vote(Status.OK, winner=0, probabilities=(0.6, 0.2), order=(0, 1))
    assert share(Rule(aggregate="probability")([likely])) == pytest.approx(0.75)
    assert share(Rule()([likely, likely])) == 1.0
    assert share(Rule()([Vote(Status.MISSING, order=(0, 1))])) is None


def test_a_preference_can_be_asked_to_have_most_of_the_votes() -> None:
    ranking = asyncio.run(rank(CIRCLE, comparison("a", "b", "c"), round_robin, wins, "votes"))
    assert preference(ranking) == Preference(chosen=2, rejected=0, margin=pytest.approx(2 / 16))
    assert ranking.votes(2, 0).share == 10 / 16
    assert preference(ranking, min_probability=0.7) == "probability"


def test_rows_of_preferences_keep_the_sources_columns_votes_and_places() -> None:
    source = comparison("a", "b", "c").model_copy(update={"metadata": {"task_id": 7, "margin": "wide"}})
    ranking = asyncio.run(rank(CIRCLE, source, round_robin, wins, "votes"))
    found = preference(ranking)
    assert isinstance(found, Preference)
    row = preference_row(source, found, ranking)
    assert row["prompt"] == "Say more."
    assert (row["chosen"], row["rejected"], row["chosen_index"], row["rejected_index"]) == ("c", "a", 2, 0)
    assert (row["chosen_votes"], row["rejected_votes"], row["tied_votes"]) == (10, 6, 0)
    assert row["probability"] == 10 / 16
    assert (row["task_id"], row["margin"], row["source_margin"]) == (7, pytest.approx(2 / 16), "wide")


def test_scores_of_one_response_each_give_votes_between_two() -> None:
    parts = [(3.0, 5.0), (4.0, 4.0), (2.0, 6.0)]
    cast = [Vote(Status.OK, scores=scores, winner=None, order=(0, 1)) for scores in parts]
    ranking = Ranking((3.0, 5.0), {(0, 1): Rule(aggregate="mean")(cast)})
    assert ranking.votes(1, 0) == PairVotes(2, 0, 1)


def test_a_missing_pair_leaves_a_comparison_out() -> None:
    assert preference(by_wins("aaaa", "bad", "a", voter=Longest(unreadable=frozenset({"bad"})))) == "missing"
