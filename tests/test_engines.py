"""What every engine has: defaults, wrappers that pass everything on, and capabilities that are compared beforehand."""

from __future__ import annotations

import asyncio

import pytest

from fathom import BaseEngine, EngineWrapper, FathomError, OpenAIEngine, ScriptedEngine
from fathom.engines import Completion, NullMeter, Request, check_capabilities
from fathom.engines.metering import Metered

HELLO = Request(({"role": "user", "content": "Hello"},))


class Shouting(BaseEngine):
    """The least that an engine has to define."""

    identity = "shouting"

    async def complete(self, request: Request) -> Completion:
        return Completion(request.messages[-1]["content"].upper())


class Recording(Shouting):
    """Notes what a wrapper passes on."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def stop(self) -> None:
        self.noted.append("stop")

    async def close(self) -> None:
        self.noted.append("close")


def test_a_simple_engine_needs_an_identity_and_complete() -> None:
    engine = Shouting()
    assert asyncio.run(engine.complete(HELLO)).text == "HELLO"
    assert engine.provides == {"text"}
    assert not engine.report_calls_to(NullMeter())
    engine.stop()
    asyncio.run(engine.close())


def test_wrappers_pass_everything_on() -> None:
    engine = Recording()
    wrapped = EngineWrapper(Metered(EngineWrapper(engine)))
    assert wrapped.identity == "shouting"
    assert wrapped.provides == {"text"}
    assert wrapped.report_calls_to(NullMeter())  # the one inside counts calls
    assert asyncio.run(wrapped.complete(HELLO)).text == "HELLO"
    wrapped.stop()
    asyncio.run(wrapped.close())
    assert engine.noted == ["stop", "close"]


def test_a_missing_capability_is_one_error_that_says_what_to_change() -> None:
    check_capabilities(ScriptedEngine("A"), {"text", "logprobs", "prefix"}, "the judge")
    with pytest.raises(
        FathomError, match="the judge yes_no needs an engine with logprobs; shouting provides text; local models"
    ):
        check_capabilities(Metered(Shouting()), {"logprobs"}, "the judge yes_no")
    with pytest.raises(
        FathomError, match=r"needs an engine with hidden_states, prefix; openai:.*continue_final_message"
    ):
        check_capabilities(OpenAIEngine("m", base_url="http://localhost:1/v1"), {"hidden_states", "prefix"}, "this")
