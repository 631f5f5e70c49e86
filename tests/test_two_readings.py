"""Judges of steps that stand on a process reward model: both directions (BiPRM), advantages of a prover (PAV),
merged steps (HRM), and thoughts apart from answers (ReasonFlux-PRM).
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison
from fathom.engines import StepScores
from fathom.engines.local import LocalEngine
from fathom.engines.usage import Usage
from fathom.judges import EngineRewardModel, Rule, Vote, find
from fathom.rationale import Status
from fathom.rewards.biprm import BidirectionalPRM
from fathom.rewards.hrm import HierarchicalRewardModel, forgiven, merged_pairs
from fathom.rewards.pav import AdvantageVerifier, advantages, best_of, effective_reward
from fathom.rewards.process import ProcessRewardModel
from fathom.rewards.reasonflux import ReasonFluxPRM, combined, thought_length
from tiny import make_checkpoint

STEPS = ("2 + 2 = 4", "4 + 1 = 6", "So it is 6.")
SOLUTION = Comparison(id="1", prompt="2 + 2 + 1?", responses=("\n\n".join(STEPS),), steps=(STEPS,))
values = st.floats(0, 1)


def scores(vote: Vote) -> list[float | None]:
    return list(vote.step_scores[0]) if vote.step_scores else []


def voted(model: EngineRewardModel, comparison: Comparison) -> Vote:
    (vote,) = asyncio.run(model.votes(comparison))
    return vote


# BiPRM ----------------------------------------------------------------------------------------------------------------


def test_the_score_of_a_step_is_the_mean_of_its_scores_in_both_orders(tmp_path: Path) -> None:
    engine = LocalEngine(make_checkpoint(tmp_path / "tiny"))
    plain = ProcessRewardModel(engine=engine, family="p_plus")
    reversed_steps = SOLUTION.model_copy(update={"steps": (STEPS[::-1],)})
    ordered, backward = scores(voted(plain, SOLUTION)), scores(voted(plain, reversed_steps))[::-1]
    assert ordered != backward
    for forward in (0.5, 0.75):
        expected = [forward * (a or 0) + (1 - forward) * (b or 0) for a, b in zip(ordered, backward, strict=True)]
        vote = voted(BidirectionalPRM(engine=engine, family="p_plus", forward=forward), SOLUTION)
        assert scores(vote) == pytest.approx(expected, abs=1e-5)
        assert list(vote.scores or ()) == pytest.approx([min(expected)], abs=1e-5)


def test_a_direction_that_was_not_seen_gives_no_score() -> None:
    seen, cut = StepScores((0.9, 0.8, 0.7)), StepScores((0.9, 0.8, None))
    vote = BidirectionalPRM(family="p_plus").read_answers([seen, cut], SOLUTION)
    assert (vote.status, vote.step_scores) == (Status.TRUNCATED, None)
    assert (vote.error or "").startswith("in reverse: the text exceeds")


# PAV ------------------------------------------------------------------------------------------------------------------


@given(values, st.integers(1, 8))
def test_the_best_of_k_is_the_chance_that_not_all_fail(value: float, prover: int) -> None:
    failing = 1.0
    for _ in range(prover):
        failing *= 1 - value
    assert best_of(value, prover) == pytest.approx(1 - failing)


def test_the_best_of_k_is_what_sampling_gives() -> None:
    draw = random.Random(0)
    hits = sum(any(draw.random() < 0.2 for _ in range(4)) for _ in range(20_000)) / 20_000
    assert best_of(0.2, 4) == pytest.approx(hits, abs=4 * (0.25 / 20_000) ** 0.5)


@given(st.lists(values, min_size=1, max_size=8), values, st.integers(1, 32))
def test_advantages_sum_to_the_change_of_the_provers_value(found: list[float], start: float, prover: int) -> None:
    each = advantages(found, start=start, prover=prover)
    total = sum(advantage for advantage in each if advantage is not None)
    assert total == pytest.approx(best_of(found[-1], prover) - best_of(start, prover), abs=1e-9)


def test_a_step_scores_by_its_advantage_and_the_first_one_needs_the_chance_before_it() -> None:
    reading = StepScores((0.5, 0.5, 0.0))
    vote = AdvantageVerifier(family="p_plus", prover=2, start=0.0).read_answers([reading], SOLUTION)
    # The values of the best of 2 are 0, 3/4, 3/4 and 0; the advantages are 3/4, 0 and -3/4.
    assert scores(vote) == [0.875, 0.5, 0.125]
    assert vote.scores == (0.5,)
    assert vote.text == "advantages: +0.7500 +0.0000 -0.7500"
    assert scores(AdvantageVerifier(family="p_plus", prover=2).read_answers([reading], SOLUTION)) == [None, 0.5, 0.125]
    assert effective_reward(0.5, -0.75, alpha=0.4) == pytest.approx(0.2)


def test_a_single_step_without_the_chance_before_it_has_no_score() -> None:
    one = SOLUTION.model_copy(update={"steps": (STEPS[:1],)})
    vote = AdvantageVerifier(family="p_plus").read_answers([StepScores((0.5,))], one)
    assert (vote.status, vote.scores) == (Status.INVALID, None)


# HRM ------------------------------------------------------------------------------------------------------------------


@given(st.lists(values, min_size=1, max_size=8), st.data())
def test_a_pair_can_only_forgive(single: list[float], data: st.DataObject) -> None:
    pairs = data.draw(st.lists(values, min_size=len(single) - 1, max_size=len(single) - 1))
    scores = forgiven(single, pairs)
    assert len(scores) == len(single)
    assert all(score >= own for score, own in zip(scores, single, strict=True))
    assert scores[-1] == single[-1]
    assert forgiven(single, [0.0] * len(pairs)) == single


def test_a_step_scores_by_itself_or_with_the_next_one_after_single_steps(tmp_path: Path) -> None:
    engine = LocalEngine(make_checkpoint(tmp_path / "tiny"))
    plain = ProcessRewardModel(engine=engine, family="p_plus")

    def last(*units: str) -> float:
        """The plain score of the last unit, read in a pass of its own."""
        found = scores(voted(plain, SOLUTION.model_copy(update={"steps": (units,)})))[-1]
        assert found is not None
        return found

    first, second, third = STEPS
    expected = [
        max(last(first), last(f"{first}\n\n{second}")),
        max(last(first, second), last(first, f"{second}\n\n{third}")),
        last(first, second, third),
    ]
    vote = voted(HierarchicalRewardModel(engine=engine, family="p_plus"), SOLUTION)
    assert scores(vote) == pytest.approx(expected, abs=1e-5)
    assert vote.usage.prompt_tokens > 2 * voted(plain, SOLUTION).usage.prompt_tokens


def test_a_repaired_step_is_forgiven_and_a_pair_that_was_not_seen_gives_no_score() -> None:
    single, repaired, wrong = StepScores((0.9, 0.1, 0.8)), StepScores((0.2,)), StepScores((0.9, 0.7))
    vote = HierarchicalRewardModel(family="p_plus").read_answers([single, repaired, wrong], SOLUTION)
    assert scores(vote) == [0.9, 0.7, 0.8]
    assert vote.scores == (0.7,)
    assert vote.text == "single: 0.9000 0.1000 0.8000; pairs: 0.2000 0.7000"
    cut = HierarchicalRewardModel(family="p_plus").read_answers([single, repaired, StepScores((0.9, None))], SOLUTION)
    assert (cut.status, cut.step_scores) == (Status.TRUNCATED, None)
    assert (cut.error or "").startswith("steps 2 and 3 as one: the text exceeds")


def test_a_single_step_has_no_pair() -> None:
    assert merged_pairs(STEPS[:1]) == []
    one = SOLUTION.model_copy(update={"steps": (STEPS[:1],)})
    assert scores(HierarchicalRewardModel(family="p_plus").read_answers([StepScores((0.4,))], one)) == [0.4]


# ReasonFlux-PRM -------------------------------------------------------------------------------------------------------

THOUGHT = "<think>2 + 2 is 5.\n\nNo, 4.</think>\n\n"
THINKING = Comparison(id="2", prompt="2 + 2?", responses=(f"{THOUGHT}It is 4.",))


@given(st.lists(values, max_size=5), st.lists(values, min_size=1, max_size=5), values, values, st.floats(0, 5))
def test_a_response_scores_between_the_lowest_and_the_highest_of_its_parts(
    thought: list[float], answer: list[float], trajectory: float, thinking: float, alpha: float
) -> None:
    parts = [*thought, *answer, trajectory]
    score = combined(thought, answer, trajectory, thinking=thinking, alpha=alpha)
    assert min(parts) - 1e-9 <= score <= max(parts) + 1e-9
    assert combined(thought, answer, trajectory, thinking=0, alpha=0) == pytest.approx(sum(answer) / len(answer))


def test_thought_answer_and_the_whole_response_are_scored_apart() -> None:
    model = ReasonFluxPRM(thinking=0.25, alpha=0.5)
    assert model.steps(THINKING) == ("<think>2 + 2 is 5.\n\n", "No, 4.</think>\n\n", "It is 4.")
    readings = [StepScores((0.2, 0.6, 1.0), usage=Usage(20)), StepScores((0.7,), usage=Usage(15))]
    vote = model.read_answers(readings, THINKING)
    assert vote.usage == Usage(35)
    # The thought has 0.4, the answer 1.0; (0.25 * 0.4 + 0.75 * 1.0 + 0.5 * 0.7) / 1.5 = 0.8.
    assert list(vote.scores or ()) == pytest.approx([0.8])
    assert scores(vote) == [0.2, 0.6, 1.0]
    assert vote.text == "thought: 0.4000 over 2 steps; answer: 1.0000 over 1 step; whole response: 0.7000"
    # The verdict keeps the score of the formula, unless the user asks for a reduction of the steps.
    assert list(model.verdict([vote]).scores or ()) == pytest.approx([0.8])
    assert Rule(aggregate="mean", steps="min")([vote]).scores == (0.2,)


def test_a_response_without_a_thought_is_all_answer_and_one_without_an_answer_is_invalid(tmp_path: Path) -> None:
    assert thought_length(("4", "It is 4.")) == 0
    assert thought_length(("<think>4", "</think>", "It is 4.")) == 2
    assert thought_length(("<think>4</think>", "No, 5.</think>", "It is 4.")) == 2, "it ends with the last tag"
    model = ReasonFluxPRM(engine=LocalEngine(make_checkpoint(tmp_path / "tiny")), family="p_plus")
    vote = voted(model, SOLUTION)
    plain = ProcessRewardModel(engine=model.engine, family="p_plus")
    whole = scores(voted(plain, SOLUTION.model_copy(update={"steps": (SOLUTION.responses,)})))
    own = scores(voted(plain, SOLUTION))
    expected = (sum(score or 0 for score in own) / 3 + (whole[0] or 0)) / 2
    assert scores(vote) == pytest.approx(own, abs=1e-5)
    assert list(vote.scores or ()) == pytest.approx([expected], abs=1e-5)
    for endless in ("<think>2 + 2", THOUGHT):
        unfinished = voted(model, SOLUTION.model_copy(update={"responses": (endless,), "steps": None}))
        assert (unfinished.status, unfinished.scores) == (Status.INVALID, None)


def test_a_part_that_was_not_seen_gives_no_score() -> None:
    whole = ReasonFluxPRM().read_answers([StepScores((0.2, 0.6, 1.0)), StepScores((None,))], THINKING)
    assert (whole.status, whole.scores) == (Status.TRUNCATED, None)
    assert (whole.error or "").startswith("the whole response: ")
    steps = ReasonFluxPRM().read_answers([StepScores((0.2, 0.6, None)), StepScores((0.7,))], THINKING)
    assert (steps.status, steps.step_scores) == (Status.TRUNCATED, None)


def test_the_judges_are_found_by_their_names() -> None:
    classes = {"biprm": BidirectionalPRM, "pav": AdvantageVerifier, "hrm": HierarchicalRewardModel}
    assert {name: find(name) for name in (*classes, "reasonflux")} == classes | {"reasonflux": ReasonFluxPRM}
