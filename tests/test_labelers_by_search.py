"""Labelers that search for the first wrong step, and consensus: which prefixes they sample, and what they conclude."""

from __future__ import annotations

import asyncio
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom import Comparison, ScriptedEngine
from fathom.engines import Completion, Request
from fathom.judges.processbench import ProcessBenchJudge
from fathom.labelers import Count, Result, Tools, make_labeler, run
from fathom.labelers.bisection import first_wrong
from fathom.labelers.omegaprm import OmegaPRM, State
from labeling import TEXTS, WRONG, labelled, labels_of, policy, problem, steps_in, tools

# Bisection ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.data())
def test_bisection_finds_the_first_error_exactly_with_an_exact_oracle(steps: int, data: st.DataObject) -> None:
    true = data.draw(st.integers(0, steps - 1))
    asked: list[int] = []

    async def reachable(length: int) -> bool:
        asked.append(length)
        return length <= true

    assert asyncio.run(first_wrong(steps, reachable)) == true
    assert len(asked) == len(set(asked)) <= ceil(log2(steps))
    assert all(0 < length < steps for length in asked)


@given(st.integers(2, 12), st.data())
def test_bisection_agrees_with_a_scan_of_all_prefixes_if_success_never_comes_back(
    steps: int, data: st.DataObject
) -> None:
    true = data.draw(st.integers(0, steps - 1))
    replies = {length: "WWRW" if length <= true else "WWWW" for length in range(steps)}
    scanned = labelled(policy(replies), make_labeler("monte-carlo", rollouts=4), problem(steps, "W"))
    engine = policy(replies)
    halved = labelled(engine, make_labeler("bisection", rollouts=4), problem(steps, "W"))
    assert labels_of(halved) == labels_of(scanned)
    assert len(engine.requests) <= 4 * (1 + ceil(log2(steps))), "the bare problem, and log2 of the steps"


def test_bisection_samples_nothing_for_a_right_solution_and_rejects_a_hopeless_problem() -> None:
    engine = policy({0: "WWWW"})
    result = labelled(engine, make_labeler("bisection", rollouts=4), problem(5, "R", id="a"), problem(5, "W", id="b"))
    assert labels_of(result) == [(1.0,) * 5]
    assert result.rejections == [{"id": "b", "reason": "no rollout of the problem is right", "detail": ""}]
    assert len(engine.requests) == 4


def test_bisection_rejects_a_solution_if_a_prefix_that_it_needs_cannot_be_read() -> None:
    result = labelled(policy({0: "RR", 2: "??"}), make_labeler("bisection", rollouts=2), problem(4, "W"))
    (rejection,) = result.rejections
    assert rejection["reason"] == "most rollouts of a prefix could not be read"
    assert rejection["detail"] == "after 2 of 4 steps"


# Consensus ------------------------------------------------------------------------------------------------------------


def consensus(judged: str, *problems: Comparison, against: str = "judge") -> Result:
    """With rollouts that find the first error at step 1 of every wrong solution."""
    rollouts = {1: "RW", 2: "WW"}
    engine = ScriptedEngine(
        lambda request: TEXTS[rollouts[steps_in(request)][request.sample]] if request.prefix else judged
    )
    used = Tools(tools(engine).rollouts, ProcessBenchJudge(engine=engine))
    return asyncio.run(run(problems, make_labeler("consensus", rollouts=2, against=against), used))


def test_consensus_keeps_solutions_on_whose_first_error_both_sources_agree() -> None:
    wrong = problem(3, "W")
    kept = consensus(r"\boxed{1}", wrong)
    assert labels_of(kept) == [(1.0, 0.0, None)]
    assert set(kept.rows[0].annotations or {}) == {"monte_carlo", "judge"}
    for judged in (r"\boxed{0}", r"\boxed{-1}"):
        other = consensus(judged, wrong)
        assert [each["reason"] for each in other.rejections] == ["the sources name different first wrong steps"]
        assert other.agreement["monte_carlo, judge"].solutions == 1, "rejected solutions count in the agreement"
    unread = consensus("I cannot say.", wrong)
    assert [each["reason"] for each in unread.rejections] == ["no vote of the judge could be read"]


def test_consensus_with_the_labels_of_the_file_asks_no_judge() -> None:
    agreeing, other = problem(3, "W", labels=(1.0, 0.0, None)), problem(3, "W", labels=(0.0, None, None))
    unsure, bare = problem(3, "W", labels=(None, 0.0, None)), problem(3, "W")
    result = consensus("never asked", agreeing, other, unsure, bare, against="given")
    assert labels_of(result) == [(1.0, 0.0, None)]
    assert [each["reason"] for each in result.rejections] == [
        "the sources name different first wrong steps",
        "a source does not name a first wrong step or none",
        "the file has no labels of the solution",
    ]
    assert result.cost.statuses.keys() == {"right", "wrong"}


# OmegaPRM -------------------------------------------------------------------------------------------------------------


def test_the_preference_is_that_of_the_paper() -> None:
    """MC = 1/4, 500 words, one visit of this state, four in total: 0.5^0.75 * 0.9^1 + 0.125 * sqrt(4) / 2."""
    state = State("s", Count(2, 8), [], visits=1)
    assert OmegaPRM().preference(state, "word " * 500, visits=4) == pytest.approx(0.5**0.75 * 0.9 + 0.125 * 2 / 2)
    promising, poor = State("s", Count(7, 8), []), State("s", Count(1, 8), [])
    assert OmegaPRM().preference(promising, "r", 0) > OmegaPRM().preference(poor, "r", 0)
    assert OmegaPRM().preference(poor, "r", 0) > OmegaPRM().preference(poor, "r " * 50, 0)


def reply(request: Request) -> str:
    """Rollouts of the problem go wrong at "bad"; after "good" half of the rollouts are right, after "bad" none."""
    if request.prefix == "":
        return f"good {request.sample}\n\nbad\n\nmore\n\n{WRONG}" if request.sample else "The answer is 5."
    return WRONG if "bad" in request.prefix or request.sample % 2 else "The answer is 5."


def grown(engine: ScriptedEngine, **options: object) -> Result:
    return labelled(engine, make_labeler("omegaprm", rollouts=4, **options), problem(1, "R"))


def test_omegaprm_labels_wrong_rollouts_at_their_probed_prefixes() -> None:
    """The first search probes 2 and then 1 of four steps. The second one starts from the state that the first found:
    the problem was visited, and both have the same share of right rollouts.
    """
    result = grown(ScriptedEngine(reply), searches=2)
    assert labels_of(result) == [(0.5, 0.0, None, None), (0.5, 0.0)]
    assert [row.steps for row in result.rows] == [
        (("good 1\n\n", "bad\n\n", "more\n\n", WRONG),),
        (("good 1\n\n", WRONG),),
    ]
    assert [row.responses for row in result.rows] == [(f"good 1\n\nbad\n\nmore\n\n{WRONG}",), (f"good 1\n\n{WRONG}",)]
    assert [row.id for row in result.rows] == ["p/0", "p/1"]
    assert labels_of(grown(ScriptedEngine(reply), searches=1, soft=False)) == [(1.0, 0.0, None, None)]


def test_the_search_continues_in_the_states_that_it_finds_until_none_is_left_or_the_budget_is_spent() -> None:
    everything = grown(ScriptedEngine(reply))
    # Three rollouts of the problem, and the only wrong rollout after each "good N", which is wrong in its first step.
    assert len(everything.rows) == 3 + 3
    assert (0.5, 0.0) in labels_of(everything)
    assert everything.cost.completions == 4 * (1 + 2 * 3)
    engine = ScriptedEngine(reply)
    grown(engine, budget=5)
    assert len(engine.requests) == 4 + 2 * 4, "no search begins after the budget, and the last one ends"


def test_wrong_solutions_of_the_file_are_searched_too() -> None:
    given_text = f"good x\n\nbad\n\n{WRONG}"
    item = Comparison(id="p", prompt="?", responses=(given_text,), reference="5")
    result = labelled(ScriptedEngine(reply), make_labeler("omegaprm", rollouts=4), item)
    assert (given_text,) in [row.responses for row in result.rows]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (WRONG, "no rollout of the problem is right"),
        ("The answer is 5.", "every rollout of the problem is right"),
        ("I cannot say", "most rollouts of a prefix could not be read"),
    ],
)
def test_omegaprm_rejects_problems_that_teach_nothing(text: str, reason: str) -> None:
    assert [each["reason"] for each in grown(ScriptedEngine(text)).rejections] == [reason]


def test_a_rollout_that_cannot_be_searched_does_not_stop_the_others() -> None:
    def unsure(request: Request) -> str | Completion:
        return "I cannot say" if "good 1" in request.prefix else reply(request)

    result = grown(ScriptedEngine(unsure), searches=2)
    assert [row.steps[0][0] for row in result.rows if row.steps] == ["good 2\n\n"]


# SCAN -----------------------------------------------------------------------------------------------------------------


def scanned(engine: ScriptedEngine, *problems: Comparison, **options: object) -> Result:
    return labelled(engine, make_labeler("scan", confidence_rollouts=4, rollouts=4, **options), *problems)


def test_scan_softens_the_labels_before_the_first_wrong_step() -> None:
    """Self-confidence 3/4; shares 1/4, 1, 1/2, 1/4 and 0: the last two before 0 become (1/2) / (3/4) and 1/3."""
    engine = policy({0: "RRRW", 1: "RWWW", 2: "RRRR", 3: "RRWW", 4: "RWWW", 5: "WWWW"})
    result = scanned(engine, problem(7, "W"))
    assert labels_of(result) == [(1.0, 1.0, pytest.approx(2 / 3), pytest.approx(1 / 3), 0.0, None, None)]
    assert labels_of(scanned(engine, problem(7, "W"), distance=0)) == [(1.0, 1.0, 1.0, 1.0, 0.0, None, None)]
    (capped,) = labels_of(scanned(engine, problem(7, "W"), distance=4))
    assert capped[1] == 1.0, "1 / 0.75 is more than certain"


def test_agreement_with_scan_is_about_the_step_it_locates_not_about_the_soft_labels_before_it() -> None:
    engine = policy({0: "RRRW", 1: "RRRR", 2: "RRRR", 3: "RRWW", 4: "RWWW", 5: "WWWW"})
    result = scanned(engine, problem(7, "W", labels=(1, 1, 1, 1, 0, None, None)))
    assert labels_of(result)[0][3] == pytest.approx(1 / 3), "below 0.5, and right for people and for SCAN"
    agreement = result.agreement["scan, given"]
    assert agreement.same_first_error is not None
    assert agreement.same_first_error.mean == 1.0
    assert agreement.same_step is not None
    assert agreement.same_step.mean == 1.0


def test_scan_samples_nothing_beyond_the_problem_for_right_solutions_and_hard_problems() -> None:
    engine = policy({0: "RRRW"})
    assert labels_of(scanned(engine, problem(4, "R"))) == [(1.0,) * 4]
    hard = scanned(policy({0: "RRWW"}), problem(4, "W"))
    assert hard.rejections[0]["reason"] == "the policy does not solve the problem often enough"
    assert hard.rejections[0]["detail"] == "it solves a share of 0.50"
    missed = scanned(policy({0: "RRRR", 1: "RRRR"}), problem(2, "W"))
    assert missed.rejections[0]["reason"] == "the answer is wrong, but rollouts of every prefix succeed"
