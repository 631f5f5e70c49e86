"""The reward server as a chat model: the text of the judge, with the reward in a field of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import OpenAIEngine, ScriptedEngine
from fathom.engines import Request
from reward_server import reward_server
from test_serve_dialects import rated

TURNS = [{"role": "user", "content": "A number?"}, {"role": "assistant", "content": "4"}]


def test_every_response_gets_a_choice_with_its_rationale_and_its_reward() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            body = {"model": "any", "messages": TURNS, "responses": ["5", "mumble"], "temperature": 1}
            status, answer, _ = await server.post("/v1/chat/completions", body)
            assert (status, answer["object"]) == (200, "chat.completion")
            choices = answer["choices"]
            assert [choice["index"] for choice in choices] == [0, 1, 2]
            assert [choice["reward"] for choice in choices] == [4.0, 5.0, None]
            texts = [choice["message"]["content"] for choice in choices]
            assert texts == ["Feedback: fine. [RESULT] 4", "Feedback: fine. [RESULT] 5", ""]
            assert [choice["fathom"]["status"] for choice in choices] == ["ok", "ok", "missing"]
            assert answer["usage"]["total_tokens"] > 0

    asyncio.run(main())


def test_responses_of_one_request_are_a_group_for_a_judge_of_pairs() -> None:
    text = "Principle 1: Size\nDefinition: d\nJudgment: j\nVerdict: A\n\nFinal verdict: [[A]]"

    async def main() -> None:
        async with reward_server(ScriptedEngine(text)) as server:
            body = {"messages": TURNS, "responses": ["5"]}
            _, answer, _ = await server.post("/v1/chat/completions", body)
            assert [choice["reward"] for choice in answer["choices"]] == [0.5, 0.5]
            assert all("Principle 1: Size" in choice["message"]["content"] for choice in answer["choices"])
            _, answer, _ = await server.post("/v1/chat/completions", {"messages": TURNS})
            assert [choice["reward"] for choice in answer["choices"]] == [None], "alone, it cannot be compared"

    asyncio.run(main())


def test_a_client_of_chat_models_reads_the_rationale() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            async with OpenAIEngine("any", base_url=f"{server.url}/v1") as engine:
                completion = await engine.complete(Request(messages=TURNS))  # type: ignore[arg-type]
            assert completion.text == "Feedback: fine. [RESULT] 4"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"stream": True}, "stream"),
        ({"n": 2}, "one choice per response"),
        ({"messages": TURNS[:1]}, "messages: found no response"),
        ({"messages": [TURNS[1]]}, "messages: found no response"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]},
                    TURNS[1],
                ]
            },
            "messages[0].content",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(more: Any, message: str) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            status, answer, _ = await server.post("/v1/chat/completions", {"messages": TURNS} | more)
            assert status == 422
            assert message in answer["error"]["message"]

    asyncio.run(main())
