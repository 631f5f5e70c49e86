"""SGLang's `/classify` and `/v1/score`, and `/classify` at the root. Written from their contract."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import ScriptedEngine
from reward_server import reward_server
from test_serve_dialects import CHATML, rated

TEXT = f"{CHATML}4<|im_end|>\n"


@pytest.mark.parametrize("path", ["/sglang/classify", "/classify"])
def test_a_text_gives_an_object_and_a_list_gives_a_list(path: str) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            status, answer, _ = await server.post(path, {"model": "any", "text": TEXT})
            assert (status, answer["embedding"]) == (200, [4.0])
            assert answer["meta_info"]["prompt_tokens"] > 0
            assert answer["meta_info"]["fathom"]["reward"] == server.service.identity.id
            _, answer, _ = await server.post(path, {"text": [TEXT, f"{CHATML}2"]})
            assert [each["embedding"] for each in answer] == [[4.0], [2.0]]
            assert (await server.post(path, {"text": []}))[:2] == (200, [])

    asyncio.run(main())


def test_score_takes_items_as_responses_to_the_query() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            body = {"model": "any", "query": "A number?", "items": ["1", "5"], "label_token_ids": [7]}
            _, answer, _ = await server.post("/sglang/v1/score", body)
            assert (answer["scores"], answer["object"]) == ([[1.0], [5.0]], "scoring")
            assert [each["votes_read"] for each in answer["fathom"]] == [1, 1]
            _, answer, _ = await server.post("/sglang/v1/score", {"query": "A number?", "items": "3"})
            assert answer["scores"] == [[3.0]]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/classify", {"input": TEXT, "text": TEXT}, "either vLLM's fields, input or messages, or SGLang's"),
        ("/classify", {"messages": [{"role": "user", "content": "?"}], "input_ids": [1]}, "either vLLM's fields"),
        ("/classify", {}, "either vLLM's fields"),
        ("/classify", {"input_ids": [1, 2]}, "token ids"),
        ("/sglang/classify", {"input_ids": [[1, 2]]}, "token ids"),
        ("/sglang/classify", {"text": "no template"}, "text[0]: found no response"),
        ("/sglang/classify", {"text": ""}, "text[0]: found no response"),
        ("/classify", {"text": ""}, "text[0]: found no response"),
        ("/sglang/classify", {"text": TEXT, "input_ids": [1]}, "exactly one of text and input_ids"),
        ("/sglang/classify", {"input": TEXT}, "exactly one of text and input_ids"),
        ("/sglang/v1/score", {"query": "?", "items": ["1"], "label_token_ids": [1, 2]}, "label_token_ids"),
        ("/sglang/v1/score", {"query": "?", "items": ["1"], "apply_softmax": True}, "not squashed"),
        ("/sglang/v1/score", {"query": "?", "items": ["1"], "item_first": True}, "item_first"),
        ("/sglang/v1/score", {"query": [1, 2], "items": [[1]]}, "query"),
    ],
)
def test_shapes_that_cannot_be_judged_are_refused(path: str, body: Any, message: str) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            status, answer, _ = await server.post(path, body)
            assert status == 422
            assert message in answer["error"]["message"]

    asyncio.run(main())


@pytest.mark.parametrize(("response", "status"), [("mumble", 422), ("fail", 503)])
def test_what_could_not_be_scored_is_an_error_unless_a_number_was_chosen(response: str, status: int) -> None:
    async def main() -> None:
        bodies: list[tuple[str, Any]] = [
            ("/sglang/classify", {"text": [TEXT, f"{CHATML}{response}"]}),
            ("/sglang/v1/score", {"query": "A number?", "items": ["4", response]}),
        ]
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            assert [(await server.post(path, body))[0] for path, body in bodies] == [status, status]
        chosen = {"unscored": "substitute", "unscored_reward": -1.0}
        async with reward_server(ScriptedEngine(rated), "prometheus", **chosen) as server:
            _, classified, _ = await server.post(*bodies[0])
            _, scored, _ = await server.post(*bodies[1])
            assert [each["embedding"] for each in classified] == scored["scores"] == [[4.0], [-1.0]]
            _, metrics = await server.get("/metrics")
            assert 'fathom_unscored_total{policy="substitute",protocol="sglang"} 2.0' in metrics

    asyncio.run(main())
