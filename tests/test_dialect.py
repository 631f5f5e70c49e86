"""What servers answer, in all the forms that they give it: content, thoughts, refusals, why a text ended, usage."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison
from fathom.engines import Completion, Sampling, dialect
from fathom.engines.openai import OpenAIEngine
from fathom.engines.outcome import outcome
from fathom.engines.usage import Usage
from fathom.judges.mix import MixJudge
from fathom.judges.yes_no import YesNoJudge
from fathom.judging import rows
from fathom.rationale import Status
from serving import Reply, chat, serving

A = "The first is better.\n\nFinal verdict: [[A]]"


def answer(message: dict[str, Any], finish_reason: Any = "stop", **choice: Any) -> dict[str, Any]:
    whole = {"message": {"role": "assistant"} | message, "finish_reason": finish_reason} | choice
    return {"choices": [whole], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}


def judged(reply: Reply, **sampling: Any) -> dict[str, Any]:
    """The one vote that a judge makes of a server's reply."""

    async def run() -> dict[str, Any]:
        async with (
            serving(lambda _: reply) as server,
            OpenAIEngine("m", base_url=server.url, retries=0) as engine,
        ):
            judge = MixJudge(engine=engine, sampling=Sampling(**sampling))
            [row] = [row async for row in rows(judge, [Comparison(id="1", prompt="Task", responses=("yes", "no"))])]
            vote: dict[str, Any] = row["votes"][0]
            return vote

    return asyncio.run(run())


TEXT = {"type": "text", "text": A}
CONTENTS = {
    "text": ({"content": A}, A, ""),
    "one part": ({"content": [TEXT]}, A, ""),
    "a part that is no list": ({"content": TEXT}, A, ""),
    "parts of a text": ({"content": [{"type": "text", "text": A[:9]}, {"type": "text", "text": A[9:]}]}, A, ""),
    "output_text": ({"content": [{"type": "output_text", "text": A}]}, A, ""),
    "plain texts": ({"content": [A]}, A, ""),
    "a thought in parts": (
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "[[B]]?"}]}, TEXT]}, A, "[[B]]?",
    ),
    "a thought as text": ({"content": [{"type": "thinking", "thinking": "[[B]]?"}, TEXT]}, A, "[[B]]?"),
    "a reasoning part": ({"content": [{"type": "reasoning", "text": "[[B]]?"}, TEXT]}, A, "[[B]]?"),
    "a part marked as a thought": ({"content": [{"text": "[[B]]?", "thought": True}, {"text": A}]}, A, "[[B]]?"),
    "a thought nobody may read": ({"content": [{"type": "redacted_thinking", "data": "x"}, TEXT]}, A, ""),
    "reasoning_content": ({"content": A, "reasoning_content": "[[B]]?"}, A, "[[B]]?"),
    "reasoning": ({"content": A, "reasoning": "[[B]]?"}, A, "[[B]]?"),
    "thinking": ({"content": A, "thinking": "[[B]]?"}, A, "[[B]]?"),
    "reasoning in parts": ({"content": A, "reasoning_content": [{"type": "text", "text": "[[B]]?"}]}, A, "[[B]]?"),
    "reasoning_details": (
        {"content": A, "reasoning_details": [{"type": "reasoning.text", "text": "[[B]]?"}]}, A, "[[B]]?",
    ),
    "an empty thought beside a think block": (
        {"content": f"<think>[[B]]?</think>{A}", "reasoning_content": ""}, A, "[[B]]?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_content_is_read_whatever_its_form_and_a_thought_is_never_the_answer(name: str) -> None:
    message, text, thought = CONTENTS[name]
    completion = dialect.parse(answer(message))
    assert (completion.text, completion.reasoning) == (text, thought)


@pytest.mark.parametrize("content", [5, True, [5], [{"type": "image_url"}], {"type": "text"}, [[{"type": "table"}]]])
def test_content_that_is_not_understood_whole_is_not_read_in_part(content: Any) -> None:
    with pytest.raises(ValueError, match="content"):
        dialect.parse(answer({"content": content}))


REASONS = {
    "stop": ["stop", "STOP", "FINISH_REASON_STOP", "end_turn", "eos", "EOS_TOKEN", "stop_sequence", "COMPLETE",
             "tool_calls", "stopped", "finished"],
    "length": ["length", "MAX_TOKENS", "max_tokens", "Max-Tokens", "FINISH_REASON_MAX_TOKENS", "max_output_tokens",
               "maxTokens", "model_length", "ERROR_LIMIT", "length_capped", "truncated", "token_limit_reached",
               "model_context_window_exceeded", "stopped_by_limit"],
    "content_filter": ["content_filter", "SAFETY", "FINISH_REASON_SAFETY", "RECITATION", "BLOCKLIST", "blocked",
                       "PROHIBITED_CONTENT", "guardrail_intervened", "contentFiltered", "moderation"],
    "refusal": ["refusal"],
    "unknown": [None, "", "OTHER", "unspecified", "FINISH_REASON_UNSPECIFIED", "?"],
}  # fmt: skip


@pytest.mark.parametrize(("kept", "told"), [(kept, told) for kept, all_told in REASONS.items() for told in all_told])
def test_why_a_text_ended_is_read_in_any_spelling(kept: str, told: str | None) -> None:
    assert dialect.finish_reason(told) == kept


@pytest.mark.parametrize(
    "told",
    ["abort", "error", "ERROR", "cancelled", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL", "timeout"],
)
def test_a_text_that_broke_off_is_no_completion(told: str) -> None:
    with pytest.raises(ValueError, match="finish_reason"):
        dialect.parse(answer({"content": A}, told))


def test_a_text_cut_at_its_limit_has_no_verdict_however_the_limit_is_spelled() -> None:
    for told in REASONS["length"]:
        assert judged(chat("Final verdict: A", told))["status"] == "truncated"


def test_a_text_that_may_have_been_cut_gives_the_verdict_that_stands_and_no_other() -> None:
    assert judged(chat(A, None))["winner"] == 0
    assert judged(chat("Final verdict: A", None))["status"] == "truncated"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(chat(None, refusal="This content falls outside of our guidelines."), id="a field"),
        pytest.param(chat("", refusal="I prefer [[A]] but cannot say so."), id="a field with a verdict in it"),
        pytest.param(chat(A, refusal="No."), id="a field beside a verdict"),
        pytest.param(chat(A, "refusal"), id="a finish reason"),
        pytest.param(chat(A, "content_filter"), id="a filter"),
        pytest.param(chat("", "SAFETY"), id="a filter that left nothing"),
    ],
)
def test_what_was_declined_is_refused_whatever_the_words_are(reply: Reply) -> None:
    for sampling in ({}, {"top_logprobs": 5}):
        vote = judged(reply, **sampling)
        assert (vote["status"], vote["winner"]) == ("refused", None)
        assert vote["error"].startswith(("the model declined", "the service filtered the content"))


def test_a_refusal_part_of_the_content_is_a_refusal() -> None:
    completion = dialect.parse(answer({"content": [{"type": "refusal", "refusal": "No."}]}))
    assert (completion.finish_reason, completion.text) == ("refusal", "No.")


@pytest.mark.parametrize("reason", ["refusal", "content_filter"])
def test_a_refused_text_has_no_probability_of_a_verdict(reason: Any) -> None:
    pair = Comparison(id="1", prompt="Task", responses=("yes",))
    vote = YesNoJudge().read_completion(Completion("Yes", reason), pair)
    assert (vote.status, vote.scores) == (Status.REFUSED, None)


FILTERED = {
    "Azure": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    "Azure, by its inner error": {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    "DashScope": {"code": "data_inspection_failed"},
    "OpenRouter": {"code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "..."}},
    "in words alone": {"message": "The prompt was blocked by our content safety filter."},
}


@pytest.mark.parametrize("status", [400, 403, 200])
@pytest.mark.parametrize("name", FILTERED)
def test_a_prompt_that_a_service_filters_is_a_refusal_that_says_why_and_gives_no_other_advice(
    name: str, status: int
) -> None:
    vote = judged(Reply(status, json.dumps({"error": {"message": "Filtered: violence."} | FILTERED[name]}).encode()))
    said = FILTERED[name].get("message", "Filtered: violence.")
    assert (vote["status"], vote["error"]) == ("refused", f"the service filtered the content: {said}")


@pytest.mark.parametrize(
    "told",
    [None, {}, [], 3, {"x": 1}, {"tokens": None},
     {"content": None}, {"content": None, "refusal": None}, {"content": []},
     {"content": [{"token": "A"}]}, {"content": [{"token": "A", "logprob": None}]}],
)  # fmt: skip
def test_log_probabilities_in_no_known_form_are_none_and_cost_nothing_that_was_not_asked_for(told: Any) -> None:
    assert dialect.parse(answer({"content": A}, logprobs=told)).logprobs is None
    assert judged(Reply(body=json.dumps(answer({"content": A}, logprobs=told)).encode()))["winner"] == 0


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}, Usage(7, 5)),
        ({"prompt_tokens": 7, "completion_tokens": 5}, Usage(7, 5)),
        ({"prompt_tokens": 7, "total_tokens": 12}, Usage(7, 5)),
        ({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 100}, Usage(7, 93)),
        ({"input_tokens": 7, "output_tokens": 5}, Usage(7, 5)),
        ({"prompt_tokens": 7.0, "completion_tokens": 5.0}, Usage(7, 5)),
        ({"prompt_tokens": 7}, Usage(7, 0, 1)),
        ({"completion_tokens": 5}, Usage(0, 5, 1)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage(0, 0, 1)),
        ({"prompt_tokens": 7, "completion_tokens": 0}, Usage(7, 0, 1)),
        ({"prompt_tokens": -7, "completion_tokens": "5"}, Usage(0, 0, 1)),
        ({"prompt_tokens": True, "completion_tokens": 1e300}, Usage(0, 0, 1)),
        (None, Usage(0, 0, 1)),
        ([7, 5], Usage(0, 0, 1)),
    ],
)
def test_usage_is_what_a_server_says_and_what_it_does_not_say_is_unknown(told: Any, usage: Usage) -> None:
    assert dialect.usage({"usage": told}, generated=True) == usage


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "error", "message", "content", "code", "usage", "type", "text", "finish_reason",
                         "prompt_tokens", "refusal", "status", "detail", "logprobs"]), inner, max_size=4),
    max_leaves=12,
), st.sampled_from([200, 400, 401, 429, 500]))  # fmt: skip
def test_whatever_a_server_answers_is_a_completion_or_a_failure_that_says_why(body: Any, status: int) -> None:
    told = outcome(status, "", {}, json.dumps(body).encode(), str)
    assert (told.completion is None) != (told.error is None)
    if told.error is not None:
        assert told.error.message
