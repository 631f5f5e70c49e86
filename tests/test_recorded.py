"""Completions that somebody recorded become the verdict that the judge would have given."""

from __future__ import annotations

import asyncio

import pytest

from fathom import ScriptedEngine
from fathom.data.records import Comparison
from fathom.engines import Completion
from fathom.judges.arena_hard import ArenaHardJudge
from fathom.judges.wildbench import WildBenchJudge
from fathom.rationale import Status
from fathom.voting.recorded import verdict_from_completions
from fathom.voting.wrappers import Swapped

PAIR = Comparison(id="1", prompt="Name a prime.", responses=("seven", "nine"))


def test_a_recorded_verdict_is_the_one_that_was_given_live() -> None:
    texts = ["[[A>>B]]", "I cannot say."]
    live = asyncio.run(Swapped(ArenaHardJudge(engine=ScriptedEngine([Completion(text) for text in texts])))(PAIR))
    told = [(order, Completion(text)) for order, text in zip([(0, 1), (1, 0)], texts, strict=True)]
    assert verdict_from_completions(ArenaHardJudge(), PAIR, told) == live


def test_votes_speak_of_the_responses_as_they_stand() -> None:
    verdict = verdict_from_completions(ArenaHardJudge(), PAIR, [((1, 0), Completion("[[A>>B]]"))])
    [vote] = verdict.votes
    assert (vote.winner, vote.scores, vote.order) == (1, (0.0, 2.0), (1, 0))


def test_a_completion_that_is_not_there_is_a_failed_call() -> None:
    verdict = verdict_from_completions(ArenaHardJudge(), PAIR, [((0, 1), None)])
    assert (verdict.status, verdict.winner) == (Status.FAILED, None)


def test_a_pointwise_judge_is_told_round_by_round() -> None:
    scores = [7, 3, 4, None]
    told = [
        ((place % 2,), None if score is None else Completion(f'{{"score": {score}}}'))
        for place, score in enumerate(scores)
    ]
    first, second = verdict_from_completions(WildBenchJudge(), PAIR, told).votes
    assert (first.winner, first.scores) == (0, (7.0, 3.0))
    assert second.status is Status.FAILED


def test_nothing_recorded_is_an_error_and_no_verdict() -> None:
    with pytest.raises(ValueError, match="at least one vote"):
        verdict_from_completions(ArenaHardJudge(), PAIR, [])
