"""Steps: labels and votes about them, how they become a score of a response, and metrics of the first error."""

from __future__ import annotations

import asyncio
from math import exp, log, prod
from statistics import fmean, geometric_mean
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom import Comparison, Label, Rule, ScriptedEngine, Status, Vote
from fathom.data.steps import first_error
from fathom.judges import Judge, merge_pointwise, reduce_steps
from fathom.judges.mr_gsm8k import MRGSM8KJudge
from fathom.judges.processbench import ProcessBenchJudge
from fathom.metrics.steps import FirstErrors, first_error_accuracy, voted_first_error
from fathom.settings import StepReduction

THREE = Comparison(
    id="1",
    prompt="3 * 4 + 5?",
    responses=("3 * 4 = 12\n\n12 + 5 = 18\n\nThe answer is 18.",),
    steps=(("3 * 4 = 12", "12 + 5 = 18", "The answer is 18."),),
    label=Label(steps=((1, 0, None),)),
)
UNSPLIT = THREE.model_copy(update={"steps": None})
CRITIQUES = {
    ProcessBenchJudge: ("Paragraph 1 adds wrongly. \\boxed{1}", "All is right. \\boxed{-1}", "\\boxed{7}"),
    MRGSM8KJudge: (
        "Final Judgement: wrong\nFirst Error Step: 2\nError Analysis: 12 + 5 is 17.",
        "Final Judgement: correct\nFirst Error Step: N/A\nError Analysis: N/A",
        "Final Judgement: wrong\nFirst Error Step: 8\nError Analysis: No such step.",
    ),
}


def judged(kind: type[Judge], text: str, comparison: Comparison) -> Vote:
    (vote,) = asyncio.run(kind(engine=ScriptedEngine(text)).votes(comparison))
    return vote


@pytest.mark.parametrize("kind", CRITIQUES)
@pytest.mark.parametrize("comparison", [THREE, UNSPLIT], ids=["given steps", "no steps"])
def test_a_critic_scores_the_steps_up_to_the_first_wrong_one(kind: type[Judge], comparison: Comparison) -> None:
    wrong, right, _ = CRITIQUES[kind]
    vote = judged(kind, wrong, comparison)
    assert (vote.step_scores, vote.scores) == (((1.0, 0.0, None),), (0.0,))
    vote = judged(kind, right, comparison)
    assert (vote.step_scores, vote.scores) == (((1.0, 1.0, 1.0),), (1.0,))


@pytest.mark.parametrize("kind", CRITIQUES)
def test_a_step_that_the_response_does_not_have_is_no_verdict(kind: type[Judge]) -> None:
    vote = judged(kind, CRITIQUES[kind][2], THREE)
    assert (vote.status, vote.step_scores, vote.scores) == (Status.INVALID, None, None)


scores = st.lists(st.floats(0.01, 1) | st.none(), min_size=1, max_size=6)


@given(scores.filter(any))
def test_reductions_are_what_their_names_say_of_the_steps_that_were_judged(steps: list[float | None]) -> None:
    told = [score for score in steps if score is not None]
    expected = {
        "min": min(told),
        "prod": prod(told),
        "last": told[-1],
        "mean": fmean(told),
        "geometric_mean": geometric_mean(told),
        "max": max(told),
        "mean_log_odds": 1 / (1 + exp(-fmean(log(p / (1 - p)) for p in (min(p, 1 - 1e-9) for p in told)))),
    }
    assert set(expected) == set(get_args(StepReduction))
    for name in get_args(StepReduction):
        assert reduce_steps([steps], name) == pytest.approx((expected[name],), rel=1e-5)


class Silent(ProcessBenchJudge):
    """A critic that judges no step."""

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        return Vote(Status.OK, step_scores=((None,) * 3,))


@pytest.mark.parametrize("name", get_args(StepReduction))
def test_a_response_of_which_no_step_was_judged_has_no_score(name: StepReduction) -> None:
    assert reduce_steps([(0.5,), (None, None)], name) is None
    assert reduce_steps([()], name) is None
    verdict = Rule(aggregate="mean", steps=name)([Vote(Status.OK, step_scores=((None,),), order=(0,))])
    assert (verdict.status, verdict.scores) == (Status.INVALID, None)


def test_a_vote_that_judges_no_step_is_invalid_and_not_a_low_score() -> None:
    vote = judged(Silent, "", THREE)
    assert (vote.status, vote.scores, vote.step_scores) == (Status.INVALID, None, None)
    assert "no step" in str(vote.error)
    one = Vote(Status.OK, step_scores=((1.0,),), order=(0,))
    assert Rule(aggregate="mean")([one, Vote(Status.OK, step_scores=((None,),), order=(0,))]).scores == (1.0,)


def test_a_rule_reduces_the_steps_of_votes() -> None:
    votes = [Vote(Status.OK, step_scores=((0.5, 0.5, 1.0), (0.4, 1.0, 1.0)), order=(0, 1))] * 2
    assert Rule(aggregate="mean")(votes).scores == (0.5, 0.4)
    assert Rule(aggregate="mean", steps="prod")(votes).scores == (0.25, 0.4)
    assert Rule(aggregate="sum", steps="last")(votes).scores == (2.0, 2.0)


def test_steps_and_their_labels_follow_the_responses() -> None:
    pair = Comparison(prompt="?", responses=("a", "b"), steps=(("a",), ("b", "c")), label=Label(steps=((1,), (1, 0))))
    swapped = pair.permuted((1, 0))
    assert (swapped.steps, swapped.label) == ((("b", "c"), ("a",)), Label(steps=((1, 0), (1,))))
    assert swapped.permuted((1, 0)) == pair
    assert pair.subset((1,)).steps == (("b", "c"),)
    vote = Vote(Status.OK, step_scores=((0.1,), (0.2, 0.3)), order=(0, 1))
    assert vote.unpermuted((1, 0)).step_scores == ((0.2, 0.3), (0.1,))


def test_a_response_is_as_right_as_its_worst_labelled_step() -> None:
    label = Label(steps=((1, None, 1), (1, 0, None)))
    assert (label.response_scores, label.winner) == ((1.0, 0.0), 0)
    assert Label(steps=((None,), (1,))).response_scores is None


def test_steps_must_be_those_of_all_responses() -> None:
    with pytest.raises(ValueError, match="steps of 1 responses, expected at least one step for each of 2"):
        Comparison(prompt="?", responses=("a", "b"), steps=(("a",),))


@pytest.mark.parametrize(
    ("steps", "found"), [((1, 1, 0.2, 0), 2), ((1, 1), None), ((None, 0.4), 1), ((0.5,), None), ((), None)]
)
def test_the_first_error_is_the_first_step_below_the_threshold(
    steps: tuple[float | None, ...], found: int | None
) -> None:
    assert first_error(steps) == found


def test_votes_elect_a_first_error_and_of_several_the_one_named_first() -> None:
    assert voted_first_error([(1, 0), (1, 0), (0, 0)]) == (1,)
    assert voted_first_error([(1, 1), (1, 1), (0, 0)]) == (None,)
    assert voted_first_error([(1, 0), (0, 0)]) == (1,)
    assert voted_first_error([(0, 0), (1, 0), (1, 1)]) == (0,)
    assert voted_first_error([]) is None


def test_f1_is_the_harmonic_mean_of_both_kinds_of_solutions() -> None:
    # Errors: 1 of 2 found. Correct solutions: 3 of 4 called right. 2 * 0.5 * 0.75 / 1.25 = 0.6
    pairs = [((2,), 2), (None, 0), ((None,), None), ((None,), None), ((None,), None), ((1,), None)]
    assert first_error_accuracy(pairs) == FirstErrors(0.5, 0.75)
    assert first_error_accuracy(pairs).f1 == pytest.approx(0.6)
    assert first_error_accuracy([((None,), None)]).f1 is None
    assert first_error_accuracy([((1,), 0), ((1,), None)]).f1 == 0.0


def test_responses_are_merged_by_their_scores_unless_the_steps_of_all_were_judged() -> None:
    steps, none = Vote(Status.OK, scores=(0.2,), step_scores=((0.2,),)), Vote(Status.OK, scores=(0.7,))
    merged = merge_pointwise([steps, none])
    assert (merged.scores, merged.step_scores) == ((0.2, 0.7), None)
    assert Rule(aggregate="mean")([merged]).scores == (0.2, 0.7)
    assert merge_pointwise([steps, steps]).step_scores == ((0.2,), (0.2,))
