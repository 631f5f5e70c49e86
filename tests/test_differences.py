"""All pairs of a group without rewards of single responses, and the best of n by self-scores."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fathom import ScriptedEngine
from fathom.data.records import Comparison
from fathom.engines import Request
from fathom.errors import FathomError
from fathom.judges import Vote, merge_pointwise, pairwise_advantages
from fathom.judges.think_rm import ThinkRMJudge
from fathom.judges.verifier import VerifierJudge
from fathom.ranking.best_of import best_of, pointwise_scores
from fathom.ranking.differences import differences
from fathom.rationale import Status
from fathom.voting.wrappers import Swapped

REWARDS = st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=9)


def skew(count: int, difference: dict[tuple[int, int], float]) -> list[list[float]]:
    return [[difference.get((i, j), 0.0) - difference.get((j, i), 0.0) for j in range(count)] for i in range(count)]


@given(REWARDS)
def test_differences_of_rewards_give_the_z_scores_of_the_rewards(rewards: list[float]) -> None:
    assume(len(set(rewards)) > 1)
    mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)  # with the variance of n - 1
    matrix = [[one - other for other in rewards] for one in rewards]
    assert pairwise_advantages(matrix) == pytest.approx([(r - mean) / deviation for r in rewards], abs=1e-12)


@given(st.integers(1, 4), st.floats(0.01, 100))
def test_preferences_in_a_circle_give_exactly_nothing(half: int, size: float) -> None:
    count = 2 * half + 1  # each is better than the next `half`, and worse than the others
    circle = {(i, (i + step) % count): size for i in range(count) for step in range(1, half + 1)}
    assert pairwise_advantages(skew(count, circle)) == [0.0] * count


def test_advantages_by_hand() -> None:
    # Of three, the first beats both, the other pair could not be read: sums 2, -1, -1, over 3; squares add up to 4,
    # over 2 * 3 * 2 = 12, so the deviation is 0.577.
    assert pairwise_advantages(skew(3, {(0, 1): 1.0, (0, 2): 1.0})) == pytest.approx([1.1547, -0.57735, -0.57735])


def test_where_nothing_is_told_apart_nobody_gains() -> None:
    assert pairwise_advantages([[0.0, 0.0], [0.0, 0.0]]) == [0.0, 0.0]


INF = float("inf")


@pytest.mark.parametrize(
    "matrix",
    [[[0.0]], [[0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]], [[0.0, INF], [-INF, 0.0]]],
)
def test_what_is_no_finite_skew_symmetric_matrix_is_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="differences must be"):
        pairwise_advantages(matrix)


def strength(request: Request) -> str:
    """How much larger the second answer is than the first, -3 to 3; nothing readable for pairs with a `?`."""
    first, second = (part.partition("\n")[2].split("\n")[1] for part in _answers(request))
    if "?" in first + second:
        return "I cannot say."
    return f"<think>{'so ' * 5}</think><answer>{int(second) - int(first)}</answer>"


def _answers(request: Request) -> list[str]:
    return request.messages[0]["content"].split("Answer of assistant ")[1:]


def group(*answers: object) -> Comparison:
    return Comparison(id="g", prompt="The largest number?", responses=tuple(map(str, answers)))


def test_strengths_of_all_pairs_are_the_differences() -> None:
    told = asyncio.run(differences(ThinkRMJudge(engine=ScriptedEngine(strength), labels="strength"), group(3, 1, 2)))
    # The sign of a strength is the second's; what is larger is better here.
    assert told.matrix == ((0.0, 2.0, 1.0), (-2.0, 0.0, -1.0), (-1.0, 1.0, 0.0))
    assert told.missing == ()
    assert pairwise_advantages(told.matrix) == pytest.approx([1.0, -1.0, 0.0])


def test_a_pair_that_cannot_be_read_has_0_and_is_named() -> None:
    told = asyncio.run(differences(ThinkRMJudge(engine=ScriptedEngine(strength), labels="strength"), group(3, "?", 2)))
    assert told.matrix == ((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (-1.0, 0.0, 0.0))
    assert told.missing == ((0, 1), (1, 2))


@given(st.lists(st.integers(0, 3), min_size=2, max_size=5, unique=True))
def test_both_orders_say_the_same_of_a_judge_without_a_place_to_prefer(answers: list[int]) -> None:
    judge = ThinkRMJudge(engine=ScriptedEngine(strength), labels="strength")
    one, both = (asyncio.run(differences(voter, group(*answers))) for voter in (judge, Swapped(judge)))
    assert one.matrix == both.matrix
    assert all(one.matrix[i][j] == answers[i] - answers[j] for i, j in combinations(range(len(answers)), 2))


def test_differences_take_a_judge_of_pairs() -> None:
    with pytest.raises(FathomError, match="pairwise"):
        asyncio.run(differences(VerifierJudge(), group(1, 2)))
    with pytest.raises(FathomError, match="2 responses"):
        asyncio.run(differences(ThinkRMJudge(), group(1)))


@pytest.mark.parametrize(
    ("scores", "answers", "chosen"),
    [
        pytest.param((3, 9, 4), "abb", 1, id="the highest score"),
        pytest.param((9, 9, 4), "abb", 1, id="a tie, by the answer of most solutions"),
        pytest.param((9, 4, 9), "aba", 0, id="equal answers, the first"),
        pytest.param((9, 9, 4), "abc", None, id="a tie that nothing breaks"),
        pytest.param((1, 1, 1, 9), "aaab", 3, id="a majority does not outvote a score"),
        pytest.param((None, 4, 9), "aba", 2, id="the best of those that could be read"),
        pytest.param((9, None, 9), "abb", 2, id="a solution that could not be read still votes on a tie"),
    ],
)
def test_the_best_of_n(scores: tuple[float | None, ...], answers: str, chosen: int | None) -> None:
    assert best_of(scores, list(answers)) == chosen


def test_a_score_without_an_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="2 scores, 1 answers"):
        best_of((1.0, 2.0), ["a"])


def test_scores_that_are_missing_are_told_and_never_chosen() -> None:
    with pytest.raises(FathomError, match="pointwise_scores"):
        best_of(None, ["a"])
    with pytest.raises(FathomError, match="none of the 2 solutions"):
        best_of((None, None), ["a", "b"])


def alone(*scores: float | None) -> Vote:
    return merge_pointwise(
        [
            Vote(Status.MISSING, order=(0,)) if score is None else Vote(Status.OK, scores=(score,), order=(0,))
            for score in scores
        ]
    )


def test_scores_alone_are_means_of_what_could_be_read() -> None:
    assert pointwise_scores([alone(3, None, 5)]) == (3.0, None, 5.0)
    assert pointwise_scores([alone(3, None, 5), alone(None, None, 7)]) == (3.0, None, 6.0)
    assert pointwise_scores([alone(3, 4), replace(alone(9, 9), included=False)]) == (3.0, 4.0)
    assert pointwise_scores([Vote(Status.OK, scores=(1.0,), order=(0,))]) == (1.0,)


@pytest.mark.parametrize(
    "votes", [[], [Vote(Status.OK, winner=0, scores=(2.0, 1.0), order=(0, 1))]], ids=["none", "pair"]
)
def test_scores_alone_are_told_by_judges_of_one_response(votes: list[Vote]) -> None:
    with pytest.raises(FathomError, match="a pointwise judge"):
        pointwise_scores(votes)
