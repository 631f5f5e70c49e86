"""The protocols of other tools: OpenRLHF's remote reward model, and vLLM's pooling endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import EngineError, ScriptedEngine
from fathom.data.records import Message
from fathom.data.rendered import parse, prompt_of, without_end
from fathom.engines import Request
from fathom.serve.dialects import DIALECTS
from reward_server import bodies, reward_server, warms_up


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def rated(request: Request) -> str:
    """The rating of a response that is a number; no rating for `mumble`, a failed call for `fail`."""
    text = request.messages[-1]["content"]
    if "fail" in text and not warms_up(text):
        raise EngineError("the server is down")
    if "mumble" in text:
        return "Who knows."
    number = next((n for n in range(1, 6) if f"\n{n}\n" in text), 3)
    return f"Feedback: fine. [RESULT] {number}"


CHATML = "<|im_start|>user\nA number?<|im_end|>\n<|im_start|>assistant\n"


def test_every_protocol_of_the_package_is_found() -> None:
    assert set(DIALECTS.names()) == {"classify", "nemo_gym", "openai_chat", "openrlhf", "sglang", "slime", "vllm"}


# OpenRLHF -------------------------------------------------------------------------------------------------------------


def test_the_headers_of_every_answer_have_the_identity_the_votes_and_what_was_cached() -> None:
    def headed(headers: Mapping[str, str]) -> list[str]:
        return [headers[f"x-fathom-{name}"] for name in ("reward", "votes", "cached")]

    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            name = server.service.identity.id
            for path in bodies("p", "r"):
                body = bodies(f"A number, {path}?", "4")[path]
                for cached in ("0/1", "1/1"):
                    status, _, headers = await server.post(path, body)
                    assert (status, headed(headers)) == (200, [name, "1/1", cached]), path
            status, _, headers = await server.post("/remote_rm", bodies("A number?", "mumble")["/remote_rm"])
            assert (status, headed(headers)) == (422, [name, "0/1", "0/1"])
        async with reward_server(ScriptedEngine("Final verdict: [[A]]")) as server:
            body = {"comparisons": [{"prompt": "p", "responses": ["r", "s"]}, {"prompt": "q", "responses": ["r", "s"]}]}
            _, _, headers = await server.post("/v1/rankings", body)
            assert headed(headers)[1:] == ["4/4", "0/2"]

    run(main)


@pytest.mark.parametrize(
    "path", ["/v1/rewards", "/remote_rm", "/verify", "/vllm/score", "/vllm/rerank", "/sglang/v1/score", "/get_reward"]
)
def test_an_empty_prompt_is_refused(path: str) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            status, answer, _ = await server.post(path, bodies("", "4")[path])
            assert status == 422, answer

    run(main)


def test_openrlhf_gets_rewards_in_order_and_an_empty_batch_is_answered() -> None:
    async def main() -> None:
        engine = ScriptedEngine(rated)
        async with reward_server(engine, "prometheus") as server:
            assert (await server.post("/get_reward", {"query": []}))[:2] == (200, {"rewards": []})
            queries = [f"<s>{CHATML}2<|im_end|>\n", "A number? 5</s>"]
            body = {"query": queries, "prompts": [CHATML, "A number? "], "labels": ["", None]}
            status, answer, _ = await server.post("/get_reward", body)
            assert status == 200
            assert answer["rewards"] == answer["scores"] == [2.0, 5.0]
            assert answer["extra_logs"] == {
                "unscored": [0.0, 0.0],
                "votes": [1.0, 1.0],
                "votes_read": [1.0, 1.0],
                "cached": [0.0, 0.0],
            }
            shown = engine.requests[-2].messages[-1]["content"]
            assert "im_start" not in shown, "the judge sees messages, not the template's tokens"
            assert "im_end" not in shown

    run(main)


def test_openrlhf_refuses_what_it_cannot_split_and_unequal_lengths() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            for body, message in (
                ({"query": ["no prompt here"]}, "found no response"),
                ({"query": ["a 1", "b 2"], "prompts": ["a "]}, "prompts: got 1, expected one per query, 2"),
            ):
                status, answer, _ = await server.post("/get_reward", body)
                assert status == 422
                assert message in answer["error"]["message"]

    run(main)


@pytest.mark.parametrize(("response", "status"), [("mumble", 422), ("fail", 503)])
def test_what_could_not_be_scored_is_an_error_unless_a_number_was_chosen(response: str, status: int) -> None:
    body = {"query": ["A number? 5", f"A number? {response}"], "prompts": ["A number? "] * 2}
    conversation = {"messages": [{"role": "user", "content": "A number?"}, {"role": "assistant", "content": response}]}

    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            for path, sent in (("/get_reward", body), ("/vllm/classify", conversation)):
                got, answer, _ = await server.post(path, sent)
                assert got == status
                assert "see --unscored" in answer["error"]["message"]
            _, metrics = await server.get("/metrics")
            assert 'fathom_unscored_total{policy="refuse",protocol="openrlhf"} 1.0' in metrics
            assert 'fathom_unscored_total{policy="refuse",protocol="vllm"} 1.0' in metrics
        chosen = {"unscored": "substitute", "unscored_reward": -1.5}
        async with reward_server(ScriptedEngine(rated), "prometheus", **chosen) as server:
            _, answer, _ = await server.post("/get_reward", body)
            assert answer["rewards"] == [5.0, -1.5]
            assert answer["extra_logs"]["unscored"] == [0.0, 1.0]
            _, metrics = await server.get("/metrics")
            assert 'fathom_unscored_total{policy="substitute",protocol="openrlhf"} 1.0' in metrics

    run(main)


def test_an_incomplete_group_is_not_scored_unless_that_was_chosen() -> None:
    """OpenRLHF cannot learn that a reward comes from a part of a group."""
    body = {"query": ["A number? 4", "A number? 5"], "prompts": ["A number? "] * 2}
    engine = ScriptedEngine("Final verdict: [[A]]")

    async def main() -> None:
        async with reward_server(engine, group_size=3, window_ms=10) as server:
            status, answer, headers = await server.post("/get_reward", body)
            assert (status, headers["retry-after"]) == (503, "1")
            assert "only 2 responses of its group arrived in time; see --partial" in answer["error"]["message"]
            status, answer, _ = await server.post(
                "/get_reward", {key: [*value, value[0]] for key, value in body.items()}
            )
            assert (status, len(answer["rewards"])) == (200, 3)
        async with reward_server(engine, group_size=3, window_ms=10, partial="accept") as server:
            status, answer, _ = await server.post("/get_reward", body)
            assert (status, len(answer["rewards"]), answer["extra_logs"]["unscored"]) == (200, 2, [0.0, 0.0])
        substitute = {"unscored": "substitute", "unscored_reward": -1.5}
        async with reward_server(engine, group_size=3, window_ms=10, **substitute) as server:
            status, answer, _ = await server.post("/get_reward", body)
            assert (status, answer["rewards"], answer["extra_logs"]["unscored"]) == (200, [-1.5, -1.5], [1.0, 1.0])

    run(main)


def test_one_response_to_a_judge_of_pairs_is_refused_if_nobody_states_the_size_of_its_group() -> None:
    body = {"query": ["A number? 4"], "prompts": ["A number? "]}

    async def main() -> None:
        engine = ScriptedEngine("Final verdict: [[A]]")
        async with reward_server(engine, window_ms=10) as server:
            status, answer, _ = await server.post("/get_reward", body)
            assert status == 422
            assert "start the server with --group-size" in answer["error"]["message"]
            assert all(warms_up(str(request.messages)) for request in engine.requests)

    run(main)


# vLLM -----------------------------------------------------------------------------------------------------------------


def test_vllm_classify_reads_messages_and_rendered_texts() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            turns = [{"role": "user", "content": "A number?"}, {"role": "assistant", "content": "4"}]
            for path in ("/vllm/classify", "/classify"):
                for body in (
                    {"model": "any", "messages": turns, "use_activation": False},
                    {"model": "any", "input": f"{CHATML}4<|im_end|>\n"},
                    {"model": "any", "input": [f"{CHATML}4<|im_end|>\n"]},
                ):
                    _, answer, _ = await server.post(path, body)
                    assert answer["data"] == [{"index": 0, "label": "LABEL_0", "probs": [4.0], "num_classes": 1}]
                    assert answer["object"] == "list"
                    assert answer["usage"]["total_tokens"] > 0
            _, answer, _ = await server.post("/vllm/pooling", {"messages": turns, "task": "classify"})
            assert answer["data"] == [{"index": 0, "object": "pooling", "data": [4.0]}]

    run(main)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/vllm/classify", {"input": "no template"}, "found no response"),
        ("/vllm/classify", {"input": ""}, "input[0]: found no response"),
        ("/vllm/classify", {"input": [1, 2, 3]}, "token ids"),
        ("/vllm/classify", {}, "exactly one of input and messages"),
        ("/vllm/classify", {"input": CHATML, "use_activation": True}, "not squashed"),
        ("/classify", {"input": CHATML, "text": "x"}, "either vLLM's fields, input or messages, or SGLang's"),
        ("/vllm/pooling", {"input": CHATML, "task": "embed"}, "task"),
        ("/vllm/score", {"queries": ["a", "b"], "documents": ["c"]}, "expected 1 or as many"),
    ],
)
def test_vllm_shapes_that_cannot_be_judged_are_refused(path: str, body: Any, message: str) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            status, answer, _ = await server.post(path, body)
            assert status == 422
            assert message in answer["error"]["message"]

    run(main)


CRITIQUE = "Final Judgement: {} First Error Step: {} Error Analysis: {}"


def test_token_classify_gives_a_pair_per_step_as_step_pooling_does() -> None:
    def criticized(request: Request) -> str:
        wrong = "2 * 4 = 9" in request.messages[-1]["content"]
        return CRITIQUE.format("wrong", "2", "The product is 8.") if wrong else CRITIQUE.format("correct", "N/A", "N/A")

    async def main() -> None:
        engine = ScriptedEngine(criticized)
        async with reward_server(engine, "mr_gsm8k") as server:
            question = {"role": "user", "content": "2 * (2 + 2)?"}
            right = "2 + 2 = 4<extra_0>2 * 4 = 8<extra_0>So 8.<extra_0>"
            body = {"messages": [question, {"role": "assistant", "content": right}], "task": "token_classify"}
            _, answer, _ = await server.post("/vllm/pooling", body)
            assert [each["data"] for each in answer["data"]] == [[[0.0, 1.0]] * 3]
            assert "extra_0" not in engine.requests[-1].messages[-1]["content"]
            wrong = "2 + 2 = 4<extra_0>2 * 4 = 9<extra_0>"
            body["messages"] = [question, {"role": "assistant", "content": wrong}]
            _, answer, _ = await server.post("/vllm/pooling", body)
            assert answer["data"][0]["data"] == [[0.0, 1.0], [1.0, 0.0]]
            body["messages"] = [question, {"role": "assistant", "content": wrong + "So 9.<extra_0>"}]
            status, answer, _ = await server.post("/vllm/pooling", body)
            assert status == 422
            assert "not all steps were scored" in answer["error"]["message"], "a critic stops at the first wrong step"
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            status, answer, _ = await server.post("/vllm/pooling", body)
            assert status == 422
            assert "needs a judge that scores steps" in answer["error"]["message"]

    run(main)


def test_vllm_score_and_rerank_take_documents_as_responses() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            for names in (("queries", "documents"), ("data_1", "data_2"), ("text_1", "text_2")):
                body = dict(zip(names, ("A number?", ["1", "5", "2"]), strict=True))
                _, answer, _ = await server.post("/vllm/score", body)
                assert [each["score"] for each in answer["data"]] == [1.0, 5.0, 2.0]
            body = {"query": "A number?", "documents": ["1", "5", "2"], "top_n": 2}
            _, answer, _ = await server.post("/vllm/rerank", body)
            assert [(each["index"], each["relevance_score"]) for each in answer["results"]] == [(1, 5.0), (2, 2.0)]
            assert answer["results"][0]["document"] == {"text": "5"}

    run(main)


def test_documents_of_one_query_are_a_group_for_a_judge_of_pairs() -> None:
    def longer(request: Request) -> str:
        text = request.messages[-1]["content"]
        return "Final verdict: [[A]]" if text.rfind("\nlonger\n") < text.rfind("\nshort\n") else "Final verdict: [[B]]"

    async def main() -> None:
        async with reward_server(ScriptedEngine(longer)) as server:
            _, answer, _ = await server.post("/vllm/score", {"queries": "Which?", "documents": ["short", "longer"]})
            assert [each["score"] for each in answer["data"]] == [0.0, 1.0]

    run(main)


# Rendered conversations -----------------------------------------------------------------------------------------------

RENDERED = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n",
    "llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>",
    "zephyr": "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n",
    "phi": "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|endoftext|>",
    "deepseek": "<｜begin▁of▁sentence｜>S<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜>",
}
WITHOUT_SYSTEM = {
    "gemma": "<bos><start_of_turn>user\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n",
    "mistral": "<s>[INST] U[/INST] A</s>",
    "hh": "\n\nHuman: U\n\nAssistant: A",
}


@pytest.mark.parametrize("text", [*RENDERED.values(), *WITHOUT_SYSTEM.values()], ids=[*RENDERED, *WITHOUT_SYSTEM])
def test_a_rendered_conversation_is_read_back(text: str) -> None:
    turns = [Message(role="user", content="U"), Message(role="assistant", content="A")]
    system = [Message(role="system", content="S")] if text in RENDERED.values() else []
    assert parse(text) == (*system, *turns)


def test_a_prompt_that_asks_for_an_answer_has_no_empty_turn() -> None:
    assert prompt_of(CHATML) == (Message(role="user", content="A number?"),)
    assert prompt_of("A number?") == "A number?"
    assert without_end("4 <|im_end|>\n<|endoftext|>") == "4"
    assert without_end("  if x:\n    pass\n") == "  if x:\n    pass\n"


def test_a_prompt_that_quotes_a_dialogue_stays_one_text() -> None:
    quoted = "Continue this chat.\n\nHuman: hi\n\nAssistant: hello\n\nSummarise it."
    assert parse(quoted) is None
    assert prompt_of(quoted) == quoted
