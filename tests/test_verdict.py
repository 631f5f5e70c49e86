"""Rules: votes become verdicts by named policies, and what could not be read never becomes a number."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.judges import Rule, Vote
from fathom.rationale import Status

UNREADABLE = [status for status in Status if status is not Status.OK]


def vote(winner: int | None, order: tuple[int, ...] = (0, 1)) -> Vote:
    return Vote(Status.OK, winner=winner, order=order)


def scored(*scores: float) -> Vote:
    winner = scores.index(max(scores)) if scores.count(max(scores)) == 1 else None
    return Vote(Status.OK, winner=winner, scores=scores, order=tuple(range(len(scores))))


def leaning(*probabilities: float) -> Vote:
    return Vote(Status.OK, winner=0, probabilities=probabilities, order=tuple(range(len(probabilities))))


readable = st.builds(vote, st.sampled_from([0, 1, None]))
unreadable = st.builds(lambda status: Vote(status, order=(0, 1)), st.sampled_from(UNREADABLE))


@pytest.mark.parametrize(
    ("winners", "expected"),
    [
        pytest.param([0], 0, id="one vote decides"),
        pytest.param([0, 1], None, id="one each is a tie"),
        pytest.param([0, 0, 1], 0, id="more votes win"),
        pytest.param([0, None], None, id="a tie with as many votes wins"),
        pytest.param([0, 0, None], 0, id="a tie with fewer votes loses"),
        pytest.param([0, 1, 0, None, None], None, id="a response needs more votes than a tie"),
        pytest.param([None], None, id="a tie alone"),
    ],
)
def test_the_majority(winners: list[int | None], expected: int | None) -> None:
    verdict = Rule()([vote(winner) for winner in winners])
    assert (verdict.status, verdict.winner) == (Status.OK, expected)
    assert verdict.scores == (winners.count(0), winners.count(1))
    named = winners.count(expected) or max(map(winners.count, winners))
    assert verdict.agreement == named / len(winners)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["scores", "probabilities", "step_scores"])
def test_a_number_that_is_not_finite_is_no_vote(field: str, number: float) -> None:
    values = ((0.5, None), (number, 1.0)) if field == "step_scores" else (0.5, number)
    found = Vote(Status.OK, winner=0, order=(0, 1), text="why", **{field: values})
    assert (found.status, found.winner, getattr(found, field)) == (Status.INVALID, None, None)
    assert (found.order, found.text) == ((0, 1), "why")
    assert f"the score is {number}" in str(found.error)
    assert Rule()([found]).status is Status.INVALID


@pytest.mark.parametrize(
    ("winners", "agreement"),
    [
        pytest.param([0, 1], 1 / 2, id="a tie that nobody voted for"),
        pytest.param([0, 0, 1, 1], 1 / 2, id="the same of four votes"),
        pytest.param([0, 1, None], 1 / 3, id="a tie that one voted for"),
        pytest.param([None, None, 0], 2 / 3, id="a tie that most voted for"),
    ],
)
def test_the_agreement_on_a_tie_is_never_0(winners: list[int | None], agreement: float) -> None:
    verdict = Rule()([vote(winner) for winner in winners])
    assert (verdict.winner, verdict.agreement) == (None, agreement)


def test_votes_for_a_tie_may_be_abstentions() -> None:
    votes = [vote(None), vote(None), vote(1)]
    assert Rule(ties="count")(votes).winner is None
    assert Rule(ties="drop")(votes).winner == 1
    assert Rule(ties="drop")(votes).agreement == 1 / 3


@given(st.lists(st.one_of(readable, unreadable), min_size=1))
def test_unreadable_votes_move_nothing_or_everything_as_the_policy_says(votes: list[Vote]) -> None:
    read = [each for each in votes if each.status is Status.OK]
    dropped, required = Rule(invalid="drop")(votes), Rule(invalid="require")(votes)
    if read:
        alone = Rule()(read)
        assert (dropped.winner, dropped.scores, dropped.agreement) == (alone.winner, alone.scores, alone.agreement)
    if len(read) < len(votes):
        assert required.status is not Status.OK
        assert (required.winner, required.scores, required.agreement) == (None, None, None)
    else:
        assert (required.winner, required.scores) == (dropped.winner, dropped.scores)


def test_summed_scores_take_9k_plus_1_values() -> None:
    # k scores from 1 to 10 add up to k, ..., 10 k: arXiv 2504.02495, equation 14.
    for k in (1, 2, 3):
        sums = {
            Rule(aggregate="sum")([scored(score, 1) for score in scores]).scores[0]  # type: ignore[index]
            for scores in itertools.product(range(1, 11), repeat=k)
        }
        assert sums == set(range(k, 10 * k + 1))
        assert len(sums) == 9 * k + 1


def test_sums_and_majorities_may_differ() -> None:
    votes = [scored(6, 5), scored(6, 5), scored(1, 9)]
    assert Rule(aggregate="majority")(votes).winner == 0
    assert (Rule(aggregate="sum")(votes).winner, Rule(aggregate="sum")(votes).scores) == (1, (13, 19))
    assert Rule(aggregate="mean")(votes).scores == (13 / 3, 19 / 3)


def test_equal_sums_are_a_tie() -> None:
    assert Rule(aggregate="sum")([scored(3, 7), scored(7, 3)]).winner is None


def test_probabilities_are_averaged_as_they_are() -> None:
    verdict = Rule(aggregate="probability")([leaning(0.5, 0.25), leaning(0.25, 0.625)])
    assert (verdict.scores, verdict.winner) == ((0.375, 0.4375), 1)


@pytest.mark.parametrize("aggregate", ["sum", "mean", "probability"])
def test_ties_are_dropped_from_majorities_alone(aggregate) -> None:  # type: ignore[no-untyped-def]
    assert Rule(aggregate="sum")([scored(7)]).scores == (7,)
    assert Rule(aggregate="sum")([scored(7, 7)]).scores == (7, 7)
    with pytest.raises(ValueError, match="requires the aggregate 'majority'"):
        Rule(aggregate=aggregate, ties="drop")


@pytest.mark.parametrize("aggregate", ["sum", "mean", "probability"])
def test_votes_without_what_is_to_be_added_up_are_refused(aggregate) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="in every vote, but a vote has none"):
        Rule(aggregate=aggregate)([vote(0)])


def test_a_vote_that_cannot_be_read_has_no_numbers() -> None:
    for status in UNREADABLE:
        with pytest.raises(ValueError, match="can have no winner"):
            Vote(status, probabilities=(0.5, 0.5))


@given(st.permutations(range(4)), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_vote_seen_in_an_order_speaks_of_the_responses_as_they_stand(order: list[int], values: list[float]) -> None:
    shown = tuple(values[i] for i in order)
    told = Vote(Status.OK, winner=2, scores=shown, probabilities=shown, order=(0, 1, 2, 3)).unpermuted(tuple(order))
    assert (told.winner, told.scores, told.probabilities) == (order[2], tuple(values), tuple(values))
    assert told.order == tuple(order)


@pytest.mark.parametrize(
    ("straight", "swapped", "rate"),
    [
        pytest.param([0], [1], 1.0, id="always the first shown"),
        pytest.param([0, 1], [0, 1], 0.0, id="never"),
        pytest.param([0, 0], [0, 1], 0.5, id="one turn of two"),
        pytest.param([0], [None], 1.0, id="to a tie"),
        pytest.param([0, 0], [], None, id="one order only"),
    ],
)
def test_the_flip_rate(straight: list[int | None], swapped: list[int | None], rate: float | None) -> None:
    votes = [vote(winner) for winner in straight] + [vote(winner, (1, 0)) for winner in swapped]
    assert Rule()(votes).flip_rate == rate


def test_an_unreadable_vote_is_no_flip() -> None:
    assert Rule()([vote(0), Vote(Status.MISSING, order=(1, 0))]).flip_rate is None
