"""The scripted engine: judges can be tried without a model, with failures and probabilities as a model has them."""

from __future__ import annotations

import asyncio

import pytest

import fathom
from fathom import Comparison, MixJudge, Repeated, Sampling, ScriptedEngine, Status
from fathom.engines import Completion, EngineError
from fathom.engines.scripted import choosing
from fathom.errors import FathomError

PAIR = Comparison(id="1", prompt="2 + 2?", responses=("4", "5"))
A, B = "Final verdict: [[A]]", "Final verdict: [[B]]"


def judge(engine: ScriptedEngine, votes: int = 1, **sampling: int) -> fathom.Verdict:
    return asyncio.run(Repeated(MixJudge(engine=engine, sampling=Sampling(**sampling)), votes)(PAIR))


def test_one_text_is_the_reply_to_every_request() -> None:
    engine = ScriptedEngine(A)
    assert [vote.winner for vote in judge(engine, 3).votes] == [0, 0, 0]
    assert [request.sample for request in engine.requests] == [0, 1, 2]


def test_a_list_is_replied_from_in_order_and_is_not_repeated() -> None:
    engine = ScriptedEngine([A, B, EngineError("overloaded"), Completion(A, finish_reason="length")])
    statuses = [vote.status for vote in judge(engine, 4).votes]
    assert statuses == [Status.OK, Status.OK, Status.FAILED, Status.OK]
    with pytest.raises(FathomError, match="the script has 4 replies, and one more was requested"):
        judge(engine)


def test_a_function_sees_the_request() -> None:
    engine = ScriptedEngine(lambda request: A if "2 + 2?" in request.messages[0]["content"] else B)
    assert judge(engine).winner == 0
    assert engine.requests[0].messages[0]["role"] == "user"


def test_a_text_costs_a_token_per_word() -> None:
    (vote,) = judge(ScriptedEngine(A)).votes
    assert vote.usage.completion_tokens == 3
    assert vote.usage.prompt_tokens > 10


def test_probabilities_of_the_verdict_are_those_of_the_script() -> None:
    engine = ScriptedEngine(choosing("Final verdict: [[", {"B": 0.2, "A": 0.7}, "]]"))
    (vote,) = judge(engine, top_logprobs=5).votes
    assert vote.text == A
    assert vote.probabilities == pytest.approx((0.7, 0.2))
