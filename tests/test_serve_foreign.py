"""Requests and answers in the shapes of other projects' own files, named with their commits; texts are made up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import ScriptedEngine
from fathom.engines import Request
from reward_server import Running, reward_server
from test_serve_dialects import rated

LLAMA = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nA number?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{response}<|eot_id|>"
)
GLM = "[gMASK]<sop><|user|>\nA number?<|assistant|>\n"


def gym_row(text: str | None, index: int = 0, *, group: str = "group", attempt: int = 0) -> dict[str, Any]:
    """A row of NVIDIA-NeMo/Gym@e2374629 `resources_servers/genrm_compare/data/example.jsonl`, with a response and an
    identity as in @05baf2cf `genrm_compare/tests/test_http_lifecycle.py`, as its agent posts them to `/verify`."""
    turns = [("user", "A number?"), ("assistant", "Which?"), ("user", "Any.")]
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "responses_create_params": {
            "input": [{"role": role, "content": content} for role, content in turns],
            "tools": [],
            "parallel_tool_calls": False,
        },
        "response": {
            "id": f"answer-{index}", "created_at": 0.0, "model": "test", "object": "response", "tools": [],
            "tool_choice": "auto", "parallel_tool_calls": True, "output": [] if text is None else [message],
            "usage": None, "error": None, "incomplete_details": None, "metadata": None,
        },
        "agent_ref": {"type": "responses_api_agents", "name": "genrm_simple_agent"},
        "dataset": "hs3",
        "principle": None,
        "_ng_group_id": group,
        "_ng_group_attempt": attempt,
        "_ng_rollout_index": index,
        "_ng_task_index": 0,
    }  # fmt: skip


def run(main: Any) -> None:
    async def judged() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            await main(server)

    asyncio.run(judged())


def test_nemo_gym_finds_the_fields_of_a_judge_failure_and_nemo_rl_its_mask() -> None:
    """The assertions of NVIDIA-NeMo/Gym@05baf2cf `assert_judge_failure`, and a row that is verified again."""

    async def main(server: Running) -> None:
        status, failed, _ = await server.post("/verify", gym_row("fail") | {"instance_config": {"task": "keep"}})
        assert (status, failed["reward"], failed["_ng_failure_class"]) == (200, 0.0, "judge_failed")
        assert failed["mask_sample"] is True
        assert failed["instance_config"] == {"task": "keep", "mask_sample": True}
        assert failed["failure_kind"] == "judge_failed"
        assert 0 < len(failed["failure_reason"]) <= 2000
        assert failed["failure_reason"] == failed["_ng_failure_judge_error"]
        assert failed["response"]["output"][0]["content"][0]["text"] == "fail"
        _, scored, _ = await server.post("/verify", failed | {"response": gym_row("4")["response"]})
        assert (scored["reward"], scored["instance_config"]) == (4.0, {"task": "keep", "mask_sample": False})
        assert "mask_sample" not in scored
        assert (await server.post("/verify", gym_row(None)))[0] == 200, "a policy can fail to answer"

    run(main)


def test_nemo_gym_groups_are_those_of_an_attempt() -> None:
    def longer(request: Request) -> str:
        text = request.messages[-1]["content"]
        return "Final verdict: [[A]]" if text.rfind("\nlonger\n") < text.rfind("\nshort\n") else "Final verdict: [[B]]"

    async def main() -> None:
        async with reward_server(ScriptedEngine(longer), group_size=2, window_ms=60_000) as server:
            rows = [
                gym_row(text, index, group=group, attempt=attempt)
                for index, text in enumerate(["short", "longer"])
                for group, attempt in (("a", 0), ("a", 1), ("b", 0))
            ]
            answers = await asyncio.gather(*(server.post("/verify", each) for each in rows))
            assert [answer["reward"] for _, answer, _ in answers] == [0.0] * 3 + [1.0] * 3

    asyncio.run(main())


def test_nemo_gym_gets_statistics_of_its_rollouts() -> None:
    """NVIDIA-NeMo/Gym@0281ad6f `reward_profile.py` (`mean/reward`, ...), with rows stripped as its rollout collection
    strips them. The statistics were computed by hand."""

    async def main(server: Running) -> None:
        rows = []
        for task, text in ((0, "1"), (0, "4"), (0, "fail"), (1, "4")):
            _, row, _ = await server.post("/verify", gym_row(text) | {"_ng_task_index": task})
            rows.append({name: value for name, value in row.items() if name not in ("response", "dataset")})
        status, answer, _ = await server.post("/aggregate_metrics", {"verify_responses": rows})
        assert status == 200
        spread = 1.7320508075688772  # of 1, 4 and 4: the deviations -2, 1 and 1 give sqrt(6 / 2)
        assert answer["agent_metrics"] == pytest.approx(
            {
                "mean/reward": 3,
                "max/reward": 4,
                "min/reward": 1,
                "median/reward": 4,
                "std/reward": spread,
                "unscored": 1,
            }
        )
        assert answer["key_metrics"] == {"mean/reward": 3.0, "unscored": 1.0}
        groups = answer["group_level_metrics"]
        assert [(each["_ng_task_index"], each["mean/reward"], each["unscored"]) for each in groups] == [
            (0, 2.5, 1.0),
            (1, 4.0, 0.0),
        ]
        _, answer, _ = await server.post("/aggregate_metrics", {"verify_responses": []})
        assert answer == {"group_level_metrics": [], "agent_metrics": {}, "key_metrics": {}}
        assert await server.get("/reverify_mode") == (200, '"stateless"')
        session = {"resources_session_id": "s", "episode_id": "e", "task_id": "t", "task_data": {}}
        for path in ("/seed_session", "/close_session"):
            assert (await server.post(path, session))[:2] == (200, {"resources_session_id": "s"})

    run(main)


@pytest.mark.parametrize("end", ["<|user|>", "<|observation|>", "<|im_end|>\n", "<|return|>", "<|eot_id|>", ""])
def test_slime_sends_the_stop_token_that_its_sampling_keeps(end: str) -> None:
    """THUDM/slime@0b420f1e `rollout/rm_hub/__init__.py`: the body of `remote_rm`. slime samples with `no_stop_trim` and
    with special tokens, so a response of GLM ends with the token of the next turn."""

    async def main() -> None:
        engine = ScriptedEngine(rated)
        async with reward_server(engine, "prometheus") as server:
            body = {"prompt": GLM, "response": f"4{end}", "label": "four"}
            status, answer, headers = await server.post("/remote_rm", body)
            assert (status, answer, headers["content-type"]) == (200, 4.0, "application/json")
            shown = engine.requests[-1].messages[-1]["content"]
            assert "\n4\n" in shown
            assert "<|" not in shown
            assert "<| " not in shown, "a broken token would be shown to the judge as a part of the response"

    asyncio.run(main())


def test_sglang_clients_get_an_embedding_per_rendered_conversation_and_a_score_per_item() -> None:
    """sgl-project/sglang@440d418f `docs/basic_usage/native_api.ipynb` (`/classify`, rendered by the template of
    Skywork-Reward-Llama-3.1) and @9b116dff `srt/entrypoints/openai/protocol.py` (`ScoringRequest`)."""

    async def main(server: Running) -> None:
        texts = [LLAMA.format(response=each) for each in ("2", "5")]
        body = {"model": "Skywork/Skywork-Reward-Llama-3.1-8B-v0.2", "text": texts}
        for path in ("/classify", "/sglang/classify"):
            _, answer, _ = await server.post(path, body)
            assert [each["embedding"][0] for each in answer] == [2.0, 5.0]
        scoring = {"query": "A number?", "items": ["2", "5"], "label_token_ids": None, "apply_softmax": False}
        _, answer, _ = await server.post("/sglang/v1/score", scoring | {"item_first": False, "model": "default"})
        assert (answer["scores"], answer["object"]) == ([[2.0], [5.0]], "scoring")
        assert {"model", "usage"} <= set(answer)

    run(main)
