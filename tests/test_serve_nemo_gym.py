"""NeMo-Gym's `/verify` and `/compare`, written from their contract."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import ScriptedEngine
from fathom.engines import Request
from reward_server import reward_server
from test_serve_dialects import rated

FAILURE_FIELDS = {"_ng_failure_class", "_ng_failure_judge_error", "mask_sample", "failure_kind", "failure_reason"}


def said(text: str) -> dict[str, Any]:
    """A response of OpenAI's Responses API."""
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a secret thought"}]}
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": "r", "object": "response", "output": [reasoning, message]}


def row(text: str, **more: Any) -> dict[str, Any]:
    question = {"role": "user", "content": [{"type": "input_text", "text": "A number?"}]}
    params = {"input": [question], "temperature": 1}
    return {
        "responses_create_params": params,
        "response": said(text),
        "_ng_task_index": 3,
        "my_field": [1, None],
    } | more


def test_the_answer_is_the_row_with_its_reward() -> None:
    async def main() -> None:
        engine = ScriptedEngine(rated)
        async with reward_server(engine, "prometheus") as server:
            sent = row("4", expected_answer="the reference")
            status, answer, _ = await server.post("/verify", sent)
            assert status == 200
            origin = answer.pop("fathom")
            assert answer == sent | {"reward": 4.0}
            assert (origin["reward"], origin["votes"], origin["votes_read"], origin["cached"]) == (
                server.service.identity.id,
                1,
                1,
                False,
            )
            shown = engine.requests[-1].messages[-1]["content"]
            assert "the reference" in shown
            assert "a secret thought" not in shown
            assert (await server.post("/seed_session", {}))[:2] == (200, {})

    asyncio.run(main())


@pytest.mark.parametrize(("text", "kind"), [("fail", "judge_failed"), ("mumble", "judge_unparseable")])
@pytest.mark.parametrize("unscored", [{}, {"unscored": "substitute", "unscored_reward": 0.7}])
def test_what_could_not_be_scored_has_a_failure_class_that_keeps_it_out_of_the_scores(
    text: str, kind: str, unscored: Any
) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus", **unscored) as server:
            status, answer, _ = await server.post("/verify", row(text))
            assert (status, answer["reward"]) == (200, 0.0)
            assert (answer["_ng_failure_class"], answer["mask_sample"]) == ("judge_failed", True)
            assert answer["failure_kind"] == kind
            assert answer["failure_reason"] == answer["_ng_failure_judge_error"] != ""
            _, metrics = await server.get("/metrics")
            assert 'fathom_unscored_total{policy="failure_class",protocol="nemo_gym"} 1.0' in metrics
            # The row is verified again, with the fields of the failure, and its response can now be scored.
            again = answer | {"response": said("5")}
            _, answer, _ = await server.post("/verify", again)
            assert answer["reward"] == 5.0
            assert not FAILURE_FIELDS & set(answer)

    asyncio.run(main())


def test_the_rollouts_of_a_task_are_a_group_and_an_incomplete_one_is_a_failure() -> None:
    async def main() -> None:
        engine = ScriptedEngine("Final verdict: [[A]]")
        async with reward_server(engine, group_size=2, window_ms=60_000) as server:
            rows = [row("1"), row("2"), row("1", _ng_task_index=4), row("2", _ng_task_index=4)]
            answers = await asyncio.gather(*(server.post("/verify", each) for each in rows))
            assert [answer["reward"] for _, answer, _ in answers] == [0.5] * 4
        async with reward_server(engine, group_size=3, window_ms=10) as server:
            rows = [row("1", prompt_id="a"), row("2", prompt_id="a")]
            answers = await asyncio.gather(*(server.post("/verify", each) for each in rows))
            assert [answer["failure_kind"] for _, answer, _ in answers] == ["cohort_incomplete"] * 2
        async with reward_server(engine) as server:
            status, answer, _ = await server.post("/verify", row("1"))
            assert status == 422
            assert "--group-size" in answer["error"]["message"]

    asyncio.run(main())


def test_instructions_calls_of_tools_and_their_results_are_shown() -> None:
    async def main() -> None:
        engine = ScriptedEngine(rated)
        async with reward_server(engine, "prometheus") as server:
            call = {"type": "function_call", "id": "i", "call_id": "c", "name": "add", "arguments": '{"a": 2}'}
            result = {"type": "function_call_output", "call_id": "c", "output": "the sum is 4"}
            response = {"output": [call, result, *said("4")["output"]]}
            params = {"instructions": "Use tools.", "input": "A number?"}
            status, _, _ = await server.post("/verify", {"responses_create_params": params, "response": response})
            assert status == 200
            shown = engine.requests[-1].messages[-1]["content"]
            for text in ("Use tools.", "A number?", '"name":"add"', "the sum is 4"):
                assert text in shown

    asyncio.run(main())


IMAGE = [{"role": "user", "content": [{"type": "input_image", "image_url": "http://127.0.0.1:9/cat.png"}]}]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/verify", row("4", principle="be brief"), "principle: the judge's criteria"),
        ("/verify", row("4", responses_create_params={"input": IMAGE}), "got an image"),
        ("/verify", row("4", responses_create_params={"input": []}), "at least one message"),
        ("/verify", row("4", responses_create_params={"input": [{"role": "pope", "content": "x"}]}), "input: "),
        ("/verify", row("4", response={"output": "4"}), "response.output: expected a list of items"),
        ("/verify", {"response": said("4")}, "responses_create_params"),
        ("/compare", {"conversation_history": [], "response_objs": []}, "conversation_history"),
        ("/compare", {"conversation_history": [{"role": "user", "content": "?"}], "response_objs": [{}]}, "objs[0]"),
    ],
)
def test_what_cannot_be_judged_is_refused(path: str, body: Any, message: str) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            status, answer, _ = await server.post(path, body)
            assert status == 422
            assert message in answer["error"]["message"]

    asyncio.run(main())


HISTORY = [{"role": "user", "content": "Which?"}]


def test_compare_rewards_all_responses_of_a_request_whatever_the_size_of_groups() -> None:
    def longer(request: Request) -> str:
        text = request.messages[-1]["content"]
        return "Final verdict: [[A]]" if text.rfind("\nlonger\n") < text.rfind("\nshort\n") else "Final verdict: [[B]]"

    async def main() -> None:
        body = {"conversation_history": HISTORY, "response_objs": [said("short"), said("longer")]}
        async with reward_server(ScriptedEngine(longer), group_size=8, window_ms=60_000) as server:
            _, answer, _ = await server.post("/compare", body)
            assert answer["rewards"] == [0.0, 1.0]
            assert answer["metrics"] == {"votes": 4.0, "votes_read": 4.0, "unscored": 0.0}
            status, answer, _ = await server.post("/compare", body | {"response_objs": [said("short")]})
            assert status == 422
            assert "at least 2 responses" in answer["error"]["message"]

    asyncio.run(main())


def test_compare_has_no_failure_class_so_a_missing_reward_refuses_it() -> None:
    async def main() -> None:
        body = {"conversation_history": HISTORY, "response_objs": [said("4"), said("mumble")]}
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            assert (await server.post("/compare", body))[0] == 422
        chosen = {"unscored": "substitute", "unscored_reward": -1.0}
        async with reward_server(ScriptedEngine(rated), "prometheus", **chosen) as server:
            _, answer, _ = await server.post("/compare", body)
            assert (answer["rewards"], answer["metrics"]["unscored"]) == ([4.0, -1.0], 1.0)

    asyncio.run(main())


def test_statistics_of_the_largest_rewards_are_finite_and_larger_rewards_are_refused() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            rows = [{"reward": sign * 1e300, "_ng_task_index": 0} for sign in (1, 1, -1, -1)]
            status, answer, _ = await server.post("/aggregate_metrics", {"verify_responses": rows * 1000})
            assert (status, answer["agent_metrics"]["mean/reward"]) == (200, 0.0)
            assert all(math.isfinite(value) for value in answer["agent_metrics"].values())
            body = {"verify_responses": [{"reward": 1.0}, {"reward": 1e308}, {"reward": 1e308}]}
            status, answer, _ = await server.post("/aggregate_metrics", body)
            assert status == 422
            assert "verify_responses[1].reward: expected a number from -1e+300 to 1e+300" in answer["error"]["message"]

    asyncio.run(main())
