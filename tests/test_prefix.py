"""The beginning of an answer that a model continues: exactly in this process, by the server's own means elsewhere."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom import FathomError, LocalEngine, OpenAIEngine, ReplayEngine, ScriptedEngine
from fathom.engines import Completion, Engine, Request, Sampling
from fathom.engines.cache import CachedEngine, entries, request_key, request_text
from fathom.engines.chat import encode_chat, encode_prefix
from fathom.engines.metering import Metered, estimate
from fathom.engines.planning import CallCounter, estimated_tokens
from fathom.judges.mix import MixJudge
from fathom.lab import world
from fathom.lab.teacher import Teacher
from serving import Call, Reply, Server, chat, serving
from tiny import END, make_checkpoint

WORDS = ["The first response is right, and the second is not.", "Final verdict: A", "世界 is 'world'"]


def ask(prefix: str = "", sample: int = 0, **sampling: Any) -> Request:
    return Request(({"role": "user", "content": "Which is better?"},), Sampling(**sampling), sample, prefix)


def completed(engine: Engine, *requests: Request) -> list[Completion]:
    async def run() -> list[Completion]:
        return await asyncio.gather(*map(engine.complete, requests))

    return asyncio.run(run())


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    """A model whose tokens have several characters."""
    path = make_checkpoint(tmp_path_factory.mktemp("tiny") / "words", vocab_texts=WORDS, vocab_size=600)
    return LocalEngine(path, dtype="float64")


# In this process ------------------------------------------------------------------------------------------------------

LONG = Request(tuple(MixJudge(trained=True).ask(world.items(1, seed=0)[0].comparison)), Sampling(max_tokens=60))


@pytest.fixture(scope="module")
def mini() -> tuple[LocalEngine, str, list[int]]:
    """The shipped model, what it writes greedily, and where its text ends in the tokens that the model wrote."""
    engine = LocalEngine("mini", dtype="float64")
    (whole,) = completed(engine, replace(LONG, sampling=replace(LONG.sampling, logprobs=True)))
    assert whole.logprobs is not None
    written = [token.token for token in whole.logprobs]
    cuts = []
    for count in range(len(written)):
        prefix = "".join(written[:count])
        split = [engine.tokenizer.decode([token]) for token in encode_prefix(engine.tokenizer, prefix)]
        if split == written[:count] and whole.text.startswith(prefix):
            cuts.append(len(prefix))
    assert len(cuts) > 20
    return engine, whole.text, cuts


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_greedy_text_is_continued_by_what_followed(mini: tuple[LocalEngine, str, list[int]], data: Any) -> None:
    engine, text, cuts = mini
    at = data.draw(st.sampled_from(cuts))
    (rest,) = completed(engine, replace(LONG, prefix=text[:at], sampling=Sampling(max_tokens=60)))
    assert (text[:at] + rest.text).startswith(text)


def test_the_prompt_is_the_rendered_chat_and_the_prefix(local: LocalEngine) -> None:
    (plain, begun) = completed(local, ask(max_tokens=1), ask("Final verdict: A", max_tokens=1))
    added = len(encode_prefix(local.tokenizer, "Final verdict: A"))
    assert added > 0
    assert begun.usage.prompt_tokens == plain.usage.prompt_tokens + added
    assert begun.usage.completion_tokens == 1


def test_the_name_of_a_special_token_in_a_prefix_is_text(local: LocalEngine) -> None:
    end = local.tokenizer.convert_tokens_to_ids(END)
    assert end not in encode_prefix(local.tokenizer, f"A{END}B")
    assert local.tokenizer.decode(encode_prefix(local.tokenizer, f"A{END}B")) == f"A{END}B"


def test_vllm_continues_as_the_local_engine_does(local: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    import vllm_standin
    from fathom.engines.vllm import VLLMEngine

    for name in ("vllm", "vllm.sampling_params"):
        monkeypatch.setitem(sys.modules, name, vllm_standin)
    engine, same = VLLMEngine(local.name), LocalEngine(local.name)
    requests = [ask(text, max_tokens=6) for text in WORDS]
    mine, theirs = completed(engine, *requests), completed(same, *requests)
    asyncio.run(engine.close())
    assert [each.text for each in mine] == [each.text for each in theirs]
    assert [each.usage for each in mine] == [each.usage for each in theirs]


# Servers --------------------------------------------------------------------------------------------------------------


def served(answer: Callable[[Call], Reply], *requests: Request, **options: Any) -> tuple[Server, list[Completion]]:
    async def run() -> tuple[Server, list[Completion]]:
        async with serving(answer) as server, OpenAIEngine("m", base_url=server.url, **options) as engine:
            return server, [await engine.complete(request) for request in requests]

    return asyncio.run(run())


def test_a_chat_server_is_told_to_continue_the_final_message() -> None:
    def answer(call: Call) -> Reply:
        last = call.fields["messages"][-1]
        return chat(" continued" if last["role"] == "assistant" else "new")

    server, (begun, plain) = served(answer, ask("The first"), ask(), continue_final_message=True)
    assert (begun.text, plain.text) == (" continued", "new")
    first, second = (call.fields for call in server.calls)
    assert first["messages"][-1] == {"role": "assistant", "content": "The first"}
    assert first["continue_final_message"] is True
    assert first["add_generation_prompt"] is False
    assert second["messages"] == list(ask().messages)
    assert not {"continue_final_message", "add_generation_prompt"} & second.keys()


def completion(text: str) -> Reply:
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    return Reply(body=json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode())


def test_the_completions_endpoint_gets_the_tokens_of_the_model_s_own_chat_template(local: LocalEngine) -> None:
    server, (done, _) = served(
        lambda _: completion(" A"), ask("Final verdict:"), ask(), api="completions", tokenizer=local.name
    )
    assert done.text == " A"
    plain = encode_chat(local.tokenizer, ask().messages)
    assert [call.fields["prompt"] for call in server.calls] == [
        [*plain, *encode_prefix(local.tokenizer, "Final verdict:")],
        plain,
    ]


def test_a_base_model_s_prompt_ends_in_the_prefix() -> None:
    server, _ = served(lambda _: completion(" A"), ask("Final verdict:"), api="completions")
    assert server.calls[0].fields["prompt"] == "Which is better?\n\nFinal verdict:"


def test_a_server_that_is_not_said_to_continue_is_never_asked() -> None:
    calls: list[Call] = []

    def answer(call: Call) -> Reply:
        calls.append(call)
        return chat("Something else.")

    with pytest.raises(FathomError, match=r"request with the prefix 'So' needs an engine with prefix; .*vLLM, SGLang"):
        served(answer, ask("So"))
    assert calls == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"continue_final_message": "yes"}, "continue_final_message='yes': expected true or false"),
        ({"continue_final_message": True, "api": "completions"}, "needs api=chat"),
        ({"tokenizer": "some/model"}, "tokenizer='some/model' needs api=completions"),
        ({"tokenizer": "/nowhere", "api": "completions"}, "there is no folder /nowhere"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FathomError, match=message):
        OpenAIEngine("m", base_url="http://localhost:1/v1", **options)


# Around engines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "engine",
    [
        Teacher(),
        Metered(CachedEngine(ScriptedEngine("A", provides=["text"]), ":memory:")),
    ],
)
def test_engines_that_cannot_continue_refuse_instead_of_ignoring_it(engine: Engine) -> None:
    with pytest.raises(FathomError, match="needs an engine with prefix"):
        completed(engine, ask("So"))


def test_a_dry_run_refuses_a_prefix_that_the_engine_cannot_continue() -> None:
    with pytest.raises(FathomError, match="needs an engine with prefix"):
        CallCounter("c", estimated_tokens).count(ask("So"))


def test_a_script_sees_the_prefix() -> None:
    engine = ScriptedEngine(lambda request: request.prefix.upper())
    assert [each.text for each in completed(engine, ask("so"), ask())] == ["SO", ""]


def test_the_journal_tells_prefixes_apart_and_keeps_the_keys_of_requests_without(tmp_path: Path) -> None:
    assert request_text("e", ask()) == (
        '{"engine":"e","messages":[{"content":"Which is better?","role":"user"}],"sample":0,'
        '"sampling":{"logprobs":false,"max_tokens":2048,"seed":0,"stop":[],"temperature":0.0,"top_p":1.0}}'
    )
    assert request_key("e", ask()) != request_key("e", ask("So")) != request_key("e", ask("so"))
    engine = ScriptedEngine(lambda request: f"after {request.prefix!r}")

    async def run(engine: Engine, journal: Path) -> list[str]:
        async with CachedEngine(engine, journal) as cached:
            return [(await cached.complete(ask(prefix))).text for prefix in ("", "So", "Thus", "So")]

    texts = asyncio.run(run(engine, tmp_path / "journal"))
    assert texts == ["after ''", "after 'So'", "after 'Thus'", "after 'So'"]
    assert len(engine.requests) == 3
    assert [entry.request.get("prefix") for entry in entries(tmp_path / "journal") if entry.request] == [
        None,
        "So",
        "Thus",
    ]
    replay = ReplayEngine(tmp_path / "journal")
    assert [each.text for each in completed(replay, ask("Thus"), ask(""))] == ["after 'Thus'", "after ''"]


def test_a_prefix_is_counted_as_read() -> None:
    assert estimate(ask("x" * 300), "A").prompt_tokens == estimate(ask(), "A").prompt_tokens + 100
    plans = []
    for prefix in ("", "x" * 400):
        counter = CallCounter("c", estimated_tokens, provides=["text", "prefix"])
        counter.count(ask(prefix))
        plans.append(counter.plan.prompt_tokens)
    assert plans[1] == plans[0] + 100
