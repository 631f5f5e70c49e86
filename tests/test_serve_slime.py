"""slime's `remote_rm`: one sample per request, and the answer is the reward. Written from its contract."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import ScriptedEngine
from reward_server import reward_server
from test_serve_dialects import CHATML, rated


def test_the_answer_is_a_number_for_texts_rendered_texts_and_messages() -> None:
    async def main() -> None:
        engine = ScriptedEngine(rated)
        async with reward_server(engine, "prometheus") as server:
            turns = [{"role": "user", "content": "A number?"}]
            prompts: list[Any] = ["A number?", CHATML, turns]
            for prompt in prompts:
                sent = {"prompt": prompt, "response": "4<|im_end|>", "label": "the label"}
                status, answer, headers = await server.post("/remote_rm", sent)
                assert (status, answer) == (200, 4.0)
                assert headers["x-fathom-reward"] == server.service.identity.id
                shown = engine.requests[-1].messages[-1]["content"]
                assert "im_" not in shown
                assert "the label" in shown
            for label in (None, "", 7, {"answer": 4}):
                status, answer, _ = await server.post("/remote_rm", {"prompt": "p", "response": "5", "label": label})
                assert (status, answer) == (200, 5.0), "a label that is no text is no reference answer"

    asyncio.run(main())


@pytest.mark.parametrize(("response", "status"), [("mumble", 422), ("fail", 503)])
def test_what_could_not_be_scored_is_an_error_unless_a_number_was_chosen(response: str, status: int) -> None:
    async def main() -> None:
        body = {"prompt": "A number?", "response": response, "label": None}
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            assert (await server.post("/remote_rm", body))[0] == status
        chosen = {"unscored": "substitute", "unscored_reward": -1.0}
        async with reward_server(ScriptedEngine(rated), "prometheus", **chosen) as server:
            assert (await server.post("/remote_rm", body))[:2] == (200, -1.0)
            _, metrics = await server.get("/metrics")
            assert 'fathom_unscored_total{policy="substitute",protocol="slime"} 1.0' in metrics

    asyncio.run(main())


def test_requests_for_the_samples_of_a_prompt_are_a_group_for_a_judge_of_pairs() -> None:
    async def main() -> None:
        engine = ScriptedEngine("Final verdict: [[A]]")
        async with reward_server(engine, group_size=3, window_ms=60_000) as server:
            bodies = [{"prompt": "A number?", "response": str(n), "label": None} for n in range(3)]
            answers = await asyncio.gather(*(server.post("/remote_rm", body) for body in bodies))
            assert [answer for _, answer, _ in answers] == [0.5] * 3, "the first response shown wins in both orders"

    asyncio.run(main())


@pytest.mark.parametrize("body", [{}, {"prompt": "p"}, {"prompt": "", "response": "r"}, {"prompt": [], "response": ""}])
def test_a_request_without_a_prompt_or_a_response_is_refused(body: Any) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            assert (await server.post("/remote_rm", body))[0] == 422

    asyncio.run(main())
