"""The openai engine, against a server that misbehaves: what is tried again, when, how often, and what is told."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom import engines
from fathom.cli import app
from fathom.data.records import Comparison
from fathom.engines import Completion, EngineError, Request, Sampling, TokenLogprob, dialect
from fathom.engines.cache import CachedEngine
from fathom.engines.failures import HINTS
from fathom.engines.limits import START, Limit, backoff, retry_after
from fathom.engines.metering import Metered
from fathom.engines.openai import OpenAIEngine
from fathom.engines.usage import Usage
from fathom.errors import FathomError, IncompleteRunError
from fathom.judges import Vote
from fathom.judges.mix import MixJudge
from fathom.judging import rows
from fathom.rationale import Status
from serving import HANG, Answer, Call, Reply, Seeded, Server, chat, serving, stats

T = TypeVar("T")
A = "Final verdict: [[A]]"


def ask(text: str = "Hello", sample: int = 0, **sampling: Any) -> Request:
    return Request(({"role": "user", "content": text},), Sampling(**sampling), sample)


def served(answer: Answer, use: Callable[[OpenAIEngine], Awaitable[T]], **settings: Any) -> tuple[Server, T]:
    """What `use` makes of an engine whose server answers so. Waits are short unless `settings` say otherwise."""

    async def run() -> tuple[Server, T]:
        async with (
            serving(answer) as server,
            OpenAIEngine("m", base_url=server.url, **{"first_backoff": 0.001} | settings) as engine,
        ):
            return server, await use(engine)

    return asyncio.run(run())


def completed(answer: Answer, request: Request | None = None, **settings: Any) -> Completion:
    return served(answer, lambda engine: engine.complete(request or ask()), **settings)[1]


def failure(answer: Answer, *, logprobs: bool = False, **settings: Any) -> tuple[Server, EngineError]:
    async def use(engine: OpenAIEngine) -> EngineError:
        with pytest.raises(EngineError) as caught:
            await engine.complete(ask(logprobs=logprobs))
        return caught.value

    return served(answer, use, **settings)


def first_then(first: Reply, then: Reply) -> Answer:
    return lambda call: first if call.turn == 0 else then


def error(status: int, message: str = "no", **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message}}).encode()
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


# The dialect ----------------------------------------------------------------------------------------------------------


def test_a_request_carries_model_messages_and_sampling() -> None:
    sampling = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 50, "stop": ("END",), "logprobs": True}
    body = json.loads(chat("Hi").body)
    body["choices"][0]["logprobs"] = {"content": [{"token": "Hi", "logprob": -0.1}]}
    reply = Reply(body=json.dumps(body).encode())
    server, _ = served(lambda _: reply, lambda engine: engine.complete(ask("Hello", **sampling)))
    [call] = server.calls
    seed = call.fields["seed"]
    assert call.path == "/v1/chat/completions"
    assert call.fields == {
        "model": "m", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0.7, "top_p": 0.9,
        "max_tokens": 50, "stop": ["END"], "logprobs": True, "top_logprobs": 1, "seed": seed,
    }  # fmt: skip
    assert 0 <= seed < 2**31


def test_every_sample_and_every_seed_draws_anew_and_the_same_one_the_same() -> None:
    seeds = {(seed, n): dialect.payload(ask("x", n, seed=seed), "m")["seed"] for seed in range(20) for n in range(20)}
    assert len(set(seeds.values())) == 400
    assert dialect.payload(ask("y", 3, seed=4), "m")["seed"] == seeds[4, 3]


def test_extra_body_adds_fields_and_none_leaves_a_field_out() -> None:
    extra = {"seed": None, "chat_template_kwargs": {"enable_thinking": False}}
    server, _ = served(lambda _: chat("Hi"), lambda engine: engine.complete(ask()), extra_body=extra)
    assert "seed" not in server.calls[0].fields
    assert server.calls[0].fields["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_base_model_completes_the_plain_text_of_the_messages() -> None:
    reply = {
        "choices": [
            {
                "text": " a", "finish_reason": "stop",
                "logprobs": {"tokens": [" a"], "token_logprobs": [-0.5], "top_logprobs": None},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }  # fmt: skip
    server, completion = served(
        lambda _: Reply(body=json.dumps(reply).encode()),
        lambda engine: engine.complete(ask("Once upon", logprobs=True)),
        api="completions",
    )
    assert server.calls[0].path == "/v1/completions"
    assert server.calls[0].fields["prompt"] == "Once upon\n\n"
    assert completion == Completion(" a", usage=Usage(3, 1), logprobs=(TokenLogprob(" a", -0.5),))


@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_a_text_ends_before_its_stop_string_also_where_the_server_leaves_that_in(finish_reason: str) -> None:
    completion = completed(lambda _: chat("One. END Two", finish_reason), ask(stop=("Two", "END")))
    assert (completion.text, completion.finish_reason) == ("One. ", "stop")


@pytest.mark.parametrize("field", [{"stream": True}, {"n": 4}])
def test_a_field_that_changes_the_form_of_the_answer_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(FathomError, match="leave out stream and n"):
        OpenAIEngine("m", base_url="http://localhost/v1", extra_body=field)


def test_log_probabilities_of_a_chat_are_read() -> None:
    told = {"content": [{"token": "H", "logprob": -0.1, "top_logprobs": []}, {"token": "i", "logprob": -0.2}]}
    body = json.loads(chat("Hi").body)
    body["choices"][0]["logprobs"] = told
    completion = completed(lambda _: Reply(body=json.dumps(body).encode()))
    assert completion.logprobs == (TokenLogprob("H", -0.1), TokenLogprob("i", -0.2))


def test_the_most_likely_tokens_are_asked_of_a_chat_and_read_best_first() -> None:
    top = [{"token": "B", "logprob": -2.0, "bytes": [66]}, {"token": "A", "logprob": -0.1, "bytes": [65]}]
    body = json.loads(chat("B").body)
    body["choices"][0]["logprobs"] = {"content": [{"token": "B", "logprob": -2.0, "top_logprobs": top}]}
    reply = Reply(body=json.dumps(body).encode())
    server, completion = served(lambda _: reply, lambda engine: engine.complete(ask("x", top_logprobs=2)))
    assert (server.calls[0].fields["logprobs"], server.calls[0].fields["top_logprobs"]) == (True, 2)
    assert completion.logprobs == (TokenLogprob("B", -2.0, (("A", -0.1), ("B", -2.0))),)


def test_the_most_likely_tokens_are_asked_of_a_base_model_and_read_best_first() -> None:
    told = {"tokens": ["B", "."], "token_logprobs": [-2.0, -0.1], "top_logprobs": [{"B": -2.0, "A": -0.1}, None]}
    reply = {"choices": [{"text": "B.", "finish_reason": "stop", "logprobs": told}]}
    server, completion = served(
        lambda _: Reply(body=json.dumps(reply).encode()),
        lambda engine: engine.complete(ask("x", top_logprobs=2)),
        api="completions",
    )
    assert server.calls[0].fields["logprobs"] == 2
    assert completion.logprobs == (TokenLogprob("B", -2.0, (("A", -0.1), ("B", -2.0))), TokenLogprob(".", -0.1))


@pytest.mark.parametrize(
    ("reply", "text", "reasoning"),
    [
        pytest.param(chat(A, reasoning_content="[[B]]?"), A, "[[B]]?", id="a field, as vLLM and DeepSeek have it"),
        pytest.param(chat(A, reasoning="[[B]]?"), A, "[[B]]?", id="a field, as OpenRouter has it"),
        pytest.param(chat(f"<think>\n[[B]]?\n</think>\n\n{A}"), A, "[[B]]?", id="a think block"),
        pytest.param(chat(f"[[B]]?\n</think>\n\n{A}"), A, "[[B]]?", id="a block opened by the template"),
        pytest.param(chat("<think>[[B]]? and so on", "length"), "<think>[[B]]? and so on", "", id="an endless block"),
        pytest.param(chat(None, "length", reasoning_content="Hm"), "", "Hm", id="thought until the limit"),
        pytest.param(chat(f"The tag `</think>` ends it. {A}"), f"The tag `</think>` ends it. {A}", "", id="a mention"),
        pytest.param(chat(A), A, "", id="no thought"),
        pytest.param(chat(None, refusal="I cannot."), "I cannot.", "", id="a refusal"),
    ],
)
def test_reasoning_is_kept_apart_from_the_answer(reply: Reply, text: str, reasoning: str) -> None:
    completion = completed(lambda _: reply)
    assert (completion.text, completion.reasoning) == (text, reasoning)


@given(st.text(), st.text())
def test_splitting_off_a_thought_loses_nothing_but_tags_and_space(thought: str, answer: str) -> None:
    answer = answer.strip()
    if "</think>" not in thought + answer:
        split = dialect.split_thought(f"<think>{thought}</think>{answer}")
        assert (split[0], split[1].strip()) == (thought.strip(), answer)


@pytest.mark.parametrize(
    ("told", "kept"),
    [("stop", "stop"), ("tool_calls", "stop"), ("length", "length"), ("content_filter", "content_filter")],
)
def test_why_a_text_ended_is_kept(told: str, kept: str) -> None:
    assert completed(lambda _: chat("Hi", told)).finish_reason == kept


def test_half_a_surrogate_pair_can_be_written_to_a_file() -> None:
    completion = completed(lambda _: chat("\ud83d ok"))
    assert completion.text == "? ok"


def test_a_text_that_met_its_limit_is_tried_once_more_with_the_longer_one_and_says_so() -> None:
    def answer(call: Call) -> Reply:
        return chat("cut off", "length") if call.fields["max_tokens"] < 100 else chat(A)

    server, completion = served(answer, lambda engine: engine.complete(ask(max_tokens=10)), longer=200)
    assert [call.fields["max_tokens"] for call in server.calls] == [10, 200]
    assert (completion.text, completion.finish_reason, completion.retry_max_tokens) == (A, "stop", 200)
    assert completion.usage == Usage(14, 5), "both tries are paid for"
    assert completed(answer, ask(max_tokens=10)).finish_reason == "length"


def test_a_text_whose_longer_try_fails_is_a_failure_that_keeps_what_was_written_and_says_both() -> None:
    def answer(call: Call) -> Reply:
        thought = chat("Final verdict: [[A]] is what", "length", reasoning_content="Hm")
        return thought if call.fields["max_tokens"] < 100 else error(400, "too long")

    async def use(engine: OpenAIEngine) -> tuple[Vote, Usage]:
        metered = Metered(engine)
        judge = MixJudge(engine=metered, sampling=Sampling(max_tokens=10))
        return (await judge.votes(Comparison(id="1", prompt="Task", responses=("yes", "no"))))[0], metered.usage

    _, (vote, spent) = served(answer, use, longer=200)
    assert (vote.status, vote.winner, vote.order) == (Status.FAILED, None, (0, 1))
    assert (vote.text, vote.reasoning, vote.retry_max_tokens) == ("Final verdict: [[A]] is what", "Hm", 200)
    assert vote.error == (
        f"the text reached its limit of 10 tokens, and the try with 200 failed: HTTP 400: too long ({HINTS[400]})"
    )
    assert vote.usage == spent == Usage(7, 5)


def test_a_longer_try_that_fails_is_worth_another_run_where_its_failure_may_pass(tmp_path: Path) -> None:
    down = [True]

    def answer(call: Call) -> Reply:
        if call.fields["max_tokens"] < 100:
            return chat("cut off", "length")
        return error(503) if down[0] else chat(A)

    async def use(engine: OpenAIEngine) -> Completion:
        async with CachedEngine(engine, tmp_path / "journal") as cached:
            with pytest.raises(EngineError) as caught:
                await cached.complete(ask(max_tokens=10))
            assert caught.value.retryable
            down[0] = False
            return await cached.complete(ask(max_tokens=10))

    assert served(answer, use, longer=200, retries=0)[1].text == A


# What is tried again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        *(pytest.param(error(status), id=str(status)) for status in (408, 409, 429, 500, 502, 503, 504, 529)),
        pytest.param(replace(chat(A), cut=True), id="connection broken off"),
        pytest.param(Reply(body=chat(A).body[:40]), id="truncated JSON"),
        pytest.param(Reply(body=b"\xff\xfe"), id="no text"),
        pytest.param(Reply(body=b"[" * 100_000), id="deep JSON"),
        pytest.param(Reply(body=b'{"choices": []}'), id="no choice"),
        pytest.param(Reply(body=b'{"error": {"message": "upstream"}}'), id="an error with status 200"),
        pytest.param(Reply(body=b'{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}'), id="number"),
        pytest.param(chat("half", "abort"), id="aborted"),
    ],
)
def test_what_may_pass_is_tried_again(first: Reply) -> None:
    server, completion = served(first_then(first, chat(A)), lambda engine: engine.complete(ask()))
    assert completion.text == A
    assert len(server.calls) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 301, 307])
def test_what_cannot_pass_is_never_tried_again(status: int) -> None:
    server, failed = failure(lambda _: error(status, "so not", location="http://elsewhere.test/", retry_after="1"))
    assert len(server.calls) == 1
    assert not failed.retryable
    assert failed.message == f"HTTP {status}: so not"
    assert failed.hint or status in {405, 413}


def test_an_account_without_credit_is_not_asked_again() -> None:
    body = b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'
    server, failed = failure(lambda _: Reply(429, body))
    assert (len(server.calls), failed.retryable, failed.hint) == (1, False, "the account has no credit left")


def test_after_the_last_try_the_failure_tells_all() -> None:
    server, failed = failure(lambda _: error(500, "out of order"), retries=3)
    assert len(server.calls) == 4
    assert failed.retryable
    assert failed.message == "gave up after 4 tries, the last one: HTTP 500: out of order"


def test_a_server_that_is_not_there_is_named() -> None:
    async def run() -> None:
        async with OpenAIEngine("m", base_url="http://127.0.0.1:9/v1", retries=1, first_backoff=0.001) as engine:
            await engine.complete(ask())

    with pytest.raises(EngineError, match=r"2 tries.*is a server running at http://127.0.0.1:9/v1\?"):
        asyncio.run(run())


def test_the_first_trouble_is_told_at_once_and_only_before_any_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def thrice(engine: OpenAIEngine) -> None:
        for text in "abc":
            await engine.complete(ask(text))

    served(lambda call: error(500, "loading") if call.turn < 2 else chat(A), thrice)
    assert caplog.messages == [f"trying again: HTTP 500: loading ({HINTS[500]})"]
    caplog.clear()
    served(lambda call: chat(A) if b'"a"' in call.content or call.turn else error(500, "busy"), thrice)
    assert caplog.messages == []


@pytest.mark.parametrize(
    "slow",
    [pytest.param(HANG, id="no answer"), pytest.param(replace(chat(A), dawdle=3600), id="half a body")],
)
def test_an_answer_that_does_not_come_is_tried_again_after_the_timeout(slow: Reply) -> None:
    server, completion = served(first_then(slow, chat(A)), lambda engine: engine.complete(ask()), timeout=0.3)
    assert completion.text == A
    assert len(server.calls) >= 2  # on a busy machine the second answer may be late as well


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(HANG, id="no answer"),
        pytest.param(replace(chat(A), dawdle=3600), id="half a body"),
        pytest.param(error(429, retry_after_ms="3599000"), id="wait too long"),
        pytest.param(error(429, retry_after_ms="30"), id="always overloaded"),
    ],
)
def test_nothing_outlasts_the_deadline(slow: Reply) -> None:
    _, failed = failure(lambda _: slow, deadline=0.4)
    assert failed.retryable
    assert "deadline of 0.4 s" in failed.message


def test_neither_a_failure_nor_giving_up_holds_a_place() -> None:
    bad = [error(400), error(500), chat("", None), HANG]

    async def use(engine: OpenAIEngine) -> int:
        failed = [engine.complete(ask(str(n % 4))) for n in range(12)]
        given_up = [asyncio.wait_for(engine.complete(ask("3")), 0.01 * n) for n in range(1, 9)]
        outcomes = await asyncio.gather(*failed, *given_up, return_exceptions=True)
        assert all(isinstance(outcome, EngineError | TimeoutError) for outcome in outcomes)
        return engine.limit.in_flight

    def answer(call: Call) -> Reply:
        return bad[int(call.fields["messages"][0]["content"])]

    assert served(answer, use, concurrency=4, timeout=0.1, retries=1)[1] == 0


# When it is tried again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503, 500])
def test_nobody_calls_before_retry_after_has_passed(status: int) -> None:
    told: list[float] = []

    def answer(call: Call) -> Reply:
        if not told:
            told.append(time.monotonic())
            return error(status, retry_after="0.3")
        return chat(A, delay=0.01)

    async def use(engine: OpenAIEngine) -> list[Completion]:
        refused = asyncio.create_task(engine.complete(ask("first")))
        while not engine.limit.paused_for and not refused.done():
            await asyncio.sleep(0.001)
        others = [engine.complete(ask(str(n))) for n in range(20)]
        return await asyncio.gather(refused, *others)

    server, completions = served(answer, use)
    assert {completion.text for completion in completions} == {A}
    assert all(call.time >= told[0] + 0.3 for call in server.calls[1:])


def test_tries_that_were_told_to_wait_use_up_no_tries() -> None:
    def answer(call: Call) -> Reply:
        return error(429, retry_after_ms="5") if call.turn < 30 else chat(A)

    assert served(answer, lambda engine: engine.complete(ask()), retries=0)[1].text == A


def test_a_server_that_says_wait_zero_seconds_is_not_asked_for_ever() -> None:
    server, _ = failure(lambda _: error(429, retry_after="0"), retries=3)
    assert len(server.calls) == 4


def test_when_the_server_stays_away_for_longer_than_the_deadline_all_are_told_at_once() -> None:
    async def use(engine: OpenAIEngine) -> list[Any]:
        return await asyncio.gather(*(engine.complete(ask(str(n))) for n in range(40)), return_exceptions=True)

    server, outcomes = served(lambda _: error(429, retry_after="3600"), use, deadline=60, concurrency=4)
    assert len(server.calls) <= 4
    assert all("asks for a pause of 3600 s" in str(outcome) for outcome in outcomes)


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "7"}, 7, id="seconds"),
        pytest.param({"retry-after": "0.25"}, 0.25, id="parts of a second"),
        pytest.param({"retry-after": "7", "retry-after-ms": "150"}, 0.15, id="milliseconds go first"),
        pytest.param({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30, id="a date"),
        pytest.param(
            {"retry-after": "Sun, 01 Mar 2026 15:00:30 GMT", "date": "Sun, 01 Mar 2026 15:00:00 GMT"},
            30,
            id="a date by the server's clock",
        ),
        pytest.param({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0, id="a date that has passed"),
        pytest.param({"retry-after": "soon"}, None, id="no number"),
        pytest.param({"retry-after": "-5"}, None, id="a negative number"),
        pytest.param({"retry-after": "inf"}, None, id="for ever"),
        pytest.param({"retry-after": "nan"}, None, id="nan"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


# How many at once -----------------------------------------------------------------------------------------------------


def test_calls_in_flight_grow_to_the_limit_and_no_further_and_share_connections() -> None:
    async def use(engine: OpenAIEngine) -> list[Completion]:
        return await asyncio.gather(*(engine.complete(ask(str(n))) for n in range(300)))

    server, completions = served(lambda _: chat(A, delay=0.02), use, concurrency=32, hedge=False)
    assert len(completions) == len(server.calls) == 300
    assert server.peak == 32
    # A call that begins before the connection of the last one is back opens another, as happens on a busy machine.
    assert 32 <= server.connections < 100


def test_a_server_that_takes_fewer_calls_gets_fewer_and_every_row_still_gets_through() -> None:
    server: Server

    def answer(call: Call) -> Reply:
        return error(429, retry_after_ms="20") if server.flying > 8 else chat(A, delay=0.01)

    async def run() -> tuple[list[Completion], Limit]:
        nonlocal server
        async with serving(answer) as server, OpenAIEngine("m", base_url=server.url) as engine:
            return await asyncio.gather(*(engine.complete(ask(str(n))) for n in range(300))), engine.limit

    completions, limit = asyncio.run(run())
    assert {completion.text for completion in completions} == {A}
    assert limit.allowed < START
    assert server.statuses[429] < 300, "fewer than one refusal a row"


def test_whoever_was_let_in_before_the_door_closed_and_wakes_up_after_waits_outside() -> None:
    async def run() -> None:
        limit = Limit(8)
        through: list[float] = []

        async def call() -> None:
            await limit.acquire()
            through.append(time.monotonic())
            if len(through) == 1:
                limit.pause(0.05)
                closed.append(time.monotonic())

        closed: list[float] = []
        # All are let in at once; the first to run is refused before the others have run.
        await asyncio.gather(*(call() for _ in range(8)))
        assert all(later >= closed[0] + 0.05 for later in through[1:])
        assert limit.in_flight == 8

    asyncio.run(run())


def test_the_wait_doubles_while_the_server_answers_nobody_and_else_grows_with_the_square() -> None:
    def bounds(failures: int, unanswered: int) -> tuple[float, float]:
        waits = [backoff(failures, unanswered, first=0.5) for _ in range(200)]
        return min(waits), max(waits)

    for failures, unanswered, longest in [
        (1, 1, 0.5),
        (2, 1, 0.5),
        (6, 1, 3.0),
        (4, 4, 4.0),
        (20, 20, 30),
        (90, 1, 30),
    ]:
        low, high = bounds(failures, unanswered)
        assert longest / 2 <= low <= high <= longest


def test_one_burst_of_refusals_halves_the_limit_once_and_an_unused_limit_does_not_grow() -> None:
    async def run() -> None:
        limit = Limit(64)
        limit.increase()
        assert limit.allowed == START
        sent = []
        for _ in range(START):
            await limit.acquire()
            sent.append(time.monotonic())
        for moment in sent:
            limit.decrease(moment)
        assert limit.allowed == START / 2
        for _ in range(START):
            limit.increase()
        # Quick up to 0.9 * 16 = 14.4, then at most one more for a round of 16 calls.
        assert 15 <= limit.allowed <= 16

    asyncio.run(run())


@given(st.lists(st.sampled_from(["enter", "leave", "cancel", "cut"]), max_size=60), st.integers(1, 5))
def test_the_limit_holds_whatever_happens(events: list[str], most: int) -> None:
    async def run() -> None:
        limit = Limit(most)
        tasks: list[asyncio.Task[None]] = []
        inside = 0
        for event in events:
            if event == "enter":
                tasks.append(asyncio.create_task(limit.acquire()))
            elif event == "cancel" and tasks:
                tasks.pop().cancel()
            elif event == "cut":
                limit.decrease(time.monotonic())
            elif event == "leave" and inside:
                inside -= 1
                limit.release()
            await asyncio.sleep(0)
            entered = [task for task in tasks if task.done()]
            inside += len(entered)
            tasks = [task for task in tasks if not task.done()]
            assert limit.in_flight <= most
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(limit.in_flight):
            limit.release()
        await asyncio.wait_for(limit.acquire(), 5)
        assert limit.in_flight == 1

    asyncio.run(run())


# Secrets --------------------------------------------------------------------------------------------------------------

KEY = "sk-secret-0123456789"


@pytest.fixture(params=["environment", "file"])
def key_settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if request.param == "environment":
        monkeypatch.setenv("MY_KEY", KEY)
        return {"api_key_env": "MY_KEY"}
    (tmp_path / "key").write_text(f"{KEY}\n")
    return {"api_key_file": tmp_path / "key"}


def test_the_key_goes_to_the_server_and_nowhere_else(
    key_settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    padding = "x" * 285  # so that a message cut to its longest would end within the key

    async def use(engine: OpenAIEngine) -> str:
        async with CachedEngine(engine, tmp_path / "journal") as cached:
            judge = MixJudge(engine=cached)
            pairs = [Comparison(id=str(n), prompt=f"{n}", responses=("a", "b")) for n in range(4)]
            written = [row async for row in rows(judge, pairs)]
            assert [row["status"] for row in written].count("failed") == 3
            return json.dumps(written, default=dict) + repr(engine) + repr(cached) + engine.identity

    refusals = [error(401, f"bad key {KEY}"), Reply(200, f"{padding}{KEY}".encode()), error(400, padding + KEY)]
    replies = iter([chat(A), *refusals])
    server, told = served(lambda _: next(replies, chat(A)), use, concurrency=1, retries=0, **key_settings)
    assert {call.headers["Authorization"] for call in server.calls} == {f"Bearer {KEY}"}
    assert "[key]" in told
    for text in (
        told,
        caplog.text,
        *(path.read_bytes().decode(errors="replace") for path in tmp_path.glob("journal*")),
    ):
        assert KEY[:8] not in text


def test_only_the_address_it_belongs_to_gets_the_key_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server, _ = served(lambda _: chat(A), lambda engine: engine.complete(ask()))
    assert "Authorization" not in server.calls[0].headers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"base_url": "localhost:8000"}, "http://localhost:8000/v1", id="no scheme"),
        pytest.param({"base_url": "http://me:s3cr3t@host/v1"}, "contains a user", id="a password in the address"),
        pytest.param({"base_url": "http://host/v1?key=s3cr3t"}, "looks like a secret", id="a key in the address"),
        pytest.param({"headers": {"api-key": "s3cr3t"}}, "looks like a secret", id="a key in a header"),
        pytest.param(
            {"headers": {"x": "$NO_SUCH_NAME"}}, "has no variable NO_SUCH_NAME", id="a header's name that is not there"
        ),
        pytest.param({"headers": ["x"]}, "headers=.*expected a mapping", id="headers"),
        pytest.param({"headers": {"a b": "c"}}, "not a header name", id="a header's name"),
        pytest.param({"headers": {"x": "a\nb: c"}}, "not one line", id="a header in a header"),
        pytest.param(
            {"base_url": "http://host/v1", "proxy": "socks5://host:1"},
            "expected an http or https proxy",
            id="a kind of proxy",
        ),
        pytest.param(
            {"base_url": "http://host/v1", "proxy": "http://me:s3cr3t@host:1"},
            "proxy contains a password",
            id="a password of a proxy",
        ),
        pytest.param({"hedge": "no"}, "hedge='no'", id="hedge"),
        pytest.param({}, "the environment has no variable OPENAI_API_KEY", id="no key"),
        pytest.param({"api_key_env": "NO_SUCH_NAME"}, "has no variable NO_SUCH_NAME", id="no such name"),
        pytest.param({"api_key_file": "/no/such/file"}, "cannot read the key", id="no such file"),
        pytest.param({"base_url": "http://host/v1", "concurrency": 0}, "concurrency=0", id="concurrency"),
        pytest.param({"base_url": "http://host/v1", "timeout": "long"}, "timeout='long'", id="timeout"),
        pytest.param({"base_url": "http://host/v1", "api": "responses"}, "chat, completions", id="api"),
        pytest.param({"base_url": "http://host/v1", "extra_body": [1]}, "a mapping", id="extra body"),
        pytest.param({"bass_url": "http://host/v1"}, "it takes model, base_url", id="a misspelt setting"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(FathomError, match=message) as caught:
        engines.open("openai", "m", **settings)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"timeout": 1, "deadline": 2, "retries": 1, "concurrency": 3, "first_backoff": 1}, True),
        ({"base_url": "http://other/v1"}, False),
        ({"api": "completions"}, False),
        ({"longer": 9000}, False),
        ({"extra_body": {"top_k": 1}}, False),
    ],
)
def test_what_decides_a_completion_is_part_of_the_identity_and_nothing_else(
    settings: dict[str, Any], same: bool
) -> None:
    plain = OpenAIEngine("m", base_url="http://host/v1").identity
    assert (OpenAIEngine("m", **{"base_url": "http://host/v1"} | settings).identity == plain) == same


# The whole way --------------------------------------------------------------------------------------------------------

PAIRS = [Comparison(id=str(n), prompt=f"Task {n}", responses=("yes", "no")) for n in range(120)]


def judged(answer: Answer, concurrency: int, **settings: Any) -> tuple[Server, list[dict[str, Any]]]:
    async def use(engine: OpenAIEngine) -> list[dict[str, Any]]:
        async with CachedEngine(engine, ":memory:") as cached:
            return [row async for row in rows(MixJudge(engine=cached), PAIRS)]

    return served(answer, use, concurrency=concurrency, **settings)


def test_results_are_the_same_whatever_the_concurrency_and_the_faults() -> None:
    clean = Seeded(latency=0.001)
    results = [judged(clean, concurrency)[1] for concurrency in (1, 8, 64)]
    faulty = Seeded(latency=0.001, errors=0.2, truncated=0.05)
    results += [judged(faulty, concurrency, retries=30)[1] for concurrency in (1, 8, 64)]
    assert {row["status"] for row in results[0]} == {"ok"}
    assert {row["winner"] for row in results[0]} == {0, 1}
    assert all(result == results[0] for result in results)


def test_with_every_kind_of_fault_each_row_is_ok_or_has_a_reason_and_no_failure_a_score() -> None:
    faults = Seeded(
        latency=0.01, errors=0.2, hangs=0.02, truncated=0.05, length=0.1, burst_every=0.06, burst=0.02, seed=1
    )
    server, written = judged(faults, 64, timeout=0.5, retries=2)
    assert [row["id"] for row in written] == [pair.id for pair in PAIRS]
    for row in written:
        [vote] = row["votes"]
        assert row["status"] in {"ok", "truncated", "failed"}
        assert (row["winner"] is not None) == (row["status"] == "ok")
        assert bool(vote["error"]) == (row["status"] == "failed")
    told = stats(server)
    assert told.too_early == 0
    assert {429, 500, 200} <= set(told.statuses)
    assert sum(told.statuses.values()) == told.calls


def test_fathom_judge_asks_a_server(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "verdicts.jsonl"
    pairs.write_text('{"id": "1", "prompt": "Task", "response_a": "yes", "response_b": "no", "label": "A"}\n')

    def command(url: str) -> Any:
        settings = ["--base-url", url, "--engine-option", "retries=1", "--engine-option", 'extra_body={"top_k": 1}']
        arguments = ["judge", pairs, "--engine", "openai", "--model", "org/name", "--no-swap", *settings, "--out", out]
        return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)

    async def run() -> tuple[Server, Any]:
        async with serving(lambda _: chat(A, reasoning_content="Hm")) as server:
            return server, await asyncio.to_thread(command, server.url)

    server, result = asyncio.run(run())
    assert result.exit_code == 0
    [row] = [json.loads(line) for line in out.read_text().splitlines()]
    assert (row["winner"], row["correct"], row["votes"][0]["reasoning"]) == (0, True, "Hm")
    assert (server.calls[0].fields["model"], server.calls[0].fields["top_k"]) == ("org/name", 1)
    assert f"openai:{server.url}:chat:org/name" in (tmp_path / "verdicts.jsonl.meta.json").read_text()


@pytest.mark.parametrize("verb", ["judge", "rejection-sample"])
@pytest.mark.parametrize("engine", [(), ("--engine", "openai")], ids=["implied", "named"])
def test_the_address_of_a_server_means_the_engine_that_asks_servers(
    verb: str, engine: tuple[str, ...], tmp_path: Path
) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out"
    pairs.write_text('{"id": "1", "prompt": "Task", "response_a": "yes", "response_b": "no", "label": "A"}\n')

    async def run() -> Server:
        async with serving(lambda _: chat(A)) as server:
            arguments = [verb, str(pairs), "--model", "org/name", "--base-url", server.url, "--out", str(out), *engine]
            arguments += ["--fail-on", "never"]
            await asyncio.to_thread(CliRunner().invoke, app, arguments, catch_exceptions=False)
            return server

    assert {call.fields["model"] for call in asyncio.run(run()).calls} == {"org/name"}


@pytest.mark.parametrize("verb", ["judge", "rejection-sample"])
def test_an_address_for_an_engine_that_asks_no_server_is_refused(verb: str, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"id": "1", "prompt": "Task", "response_a": "yes", "response_b": "no", "label": "A"}\n')
    settings = ["--engine", "local", "--base-url", "http://127.0.0.1:9/v1", "--out", str(tmp_path / "out")]
    with pytest.raises(FathomError, match="--base-url needs --engine openai or scores, got --engine local; leave one"):
        CliRunner().invoke(app, [verb, str(pairs), "--model", "any", *settings], catch_exceptions=False)


@pytest.mark.parametrize("verb", ["judge", "rank"])
def test_a_run_of_which_every_call_fails_says_why_and_is_no_success(verb: str, tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    pairs.write_text('{"id": "1", "prompt": "Task", "response_a": "yes", "response_b": "no", "label": "A"}\n')

    async def run() -> None:
        async with serving(lambda _: error(401, "no such key")) as server:
            arguments = [verb, str(pairs), "--engine", "openai", "--model", "m", "--base-url", server.url]
            with pytest.raises(FathomError, match=r"every call failed; .* HTTP 401: no such key \(check the key"):
                await asyncio.to_thread(
                    CliRunner().invoke, app, [*arguments, "--out", str(out)], catch_exceptions=False
                )
            assert len(server.calls) == 2

    asyncio.run(run())
    assert len(out.read_text().splitlines()) == 1


def test_the_commonest_error_is_told_with_what_to_do_about_it(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    tasks = [{"prompt": f"Task {n}", "response_a": "yes", "response_b": "no"} for n in range(2)]
    pairs.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    why = "the prompt is longer than the context, " * 10

    def answer(call: Call) -> Reply:
        return error(400, why) if b"Task 1" in call.content else chat(A)

    async def run() -> Any:
        async with serving(answer) as server:
            arguments = ["judge", str(pairs), "--model", "m", "--base-url", server.url, "--out", str(out)]
            return await asyncio.to_thread(CliRunner().invoke, app, arguments)

    result = asyncio.run(run())
    assert isinstance(result.exception, IncompleteRunError)
    told = " ".join(result.stderr.replace("│", " ").split())
    assert f"most frequent error 2 times: HTTP 400: {why[:300].strip()}" in told
    assert f"({HINTS[400]})" in told


@pytest.mark.parametrize("option", ["retries", "retries=[", "=3"])
def test_an_engine_option_that_is_none_is_refused(option: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "Task", "response_a": "yes", "response_b": "no"}\n')
    arguments = [
        "judge",
        str(tmp_path / "pairs.jsonl"),
        "--engine",
        "openai",
        "--model",
        "m",
        "--engine-option",
        option,
    ]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, FathomError)
    assert "NAME=VALUE" in str(result.exception)


def test_connections_close_with_their_event_loop(recwarn: pytest.WarningsRecorder, caplog: Any) -> None:
    async def run() -> None:
        async with serving(lambda _: chat(A)) as server:
            engine = OpenAIEngine("m", base_url=server.url)
            judge = MixJudge(engine=engine)
            pair = Comparison(id="1", prompt="Task", responses=("yes", "no"))
            for _ in range(2):
                [(_, verdict)] = await asyncio.to_thread(lambda: list(judge.run([pair])))
                assert verdict.winner == 0

    asyncio.run(run())
    gc.collect()
    assert not [warning for warning in recwarn if "unclosed" in str(warning.message).lower()]
    assert "Unclosed" not in caplog.text
