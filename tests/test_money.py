"""Nothing is paid unseen: what is told is what a server billed, or is called unknown; runs that cannot go on stop.

The servers here are real HTTP servers that keep a till: what each call costs by their own count, whether or not they
say so. A call costs one token for every word, as `serving.chat` counts it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison
from fathom.engines import Completion, EngineError, MissingLogprobsError, Request, RunStoppedError, Sampling
from fathom.engines.cache import CachedEngine, entries
from fathom.engines.metering import Metered, Price, SpentError
from fathom.engines.openai import OpenAIEngine
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges.mix import MixJudge
from fathom.judging import rows
from fathom.voting.wrappers import Repeated, Swapped
from serving import HANG, Call, Reply, Server, chat, serving

A = "The first one answers the question and the other one does not.\n\nFinal verdict: [[A]]"
READ = 7
"""Tokens that `chat` says a prompt has."""
WRITTEN = len(A.split())
COUNTED = Usage(READ, WRITTEN)
PRICE = Price(prompt=10, completion=30)
PAIRS = [Comparison(id=str(n), prompt=f"Task {n}", responses=("yes", "no")) for n in range(60)]


def without(*names: str, **usage: Any) -> Reply:
    """A whole answer without these fields of its usage, or with other values there; without any usage at all."""
    body = json.loads(chat(A).body)
    body["usage"] = {k: v for k, v in (body["usage"] | usage).items() if k not in names}
    return Reply(body=json.dumps({k: v for k, v in body.items() if v != {}}).encode())


def broken(body: bytes) -> Reply:
    return Reply(body=body)


def error(status: int, message: str = "no", /, *, code: Any = None, told: int | None = None, **more: Any) -> Reply:
    """An error as OpenAI's dialect has it; `told` is the status of the answer, where that is not its code."""
    problem = {"message": message, "code": code} | more
    return Reply(told or status, json.dumps({"error": problem}).encode())


ALL = ("prompt_tokens", "completion_tokens", "total_tokens")
NO_USAGE = without(*ALL)


class Till:
    """A server that bills: what `first` costs at each call's first turn, and what a whole answer costs afterwards."""

    def __init__(self, first: Reply, cost: Usage, then: Reply | None = None, then_cost: Usage = COUNTED) -> None:
        self.first, self.cost = first, cost
        self.then, self.then_cost = then or first, then_cost if then else cost
        self.billed = Usage()

    def __call__(self, call: Call) -> Reply:
        self.billed += self.then_cost if call.turn else self.cost
        return self.then if call.turn else self.first


Drilled = tuple[Server, Metered, list[dict[str, Any]] | FathomError]


def drilled(till: Callable[[Call], Reply], journal: Path | str = ":memory:", **settings: Any) -> Drilled:
    """Judges `PAIRS` at that server: what came of it, or the error that stopped the run."""
    bounds = {name: settings.pop(name) for name in ("max_tokens", "max_cost") if name in settings}
    sampling, port = settings.pop("sampling", Sampling(max_tokens=100)), settings.pop("port", 0)

    async def run() -> Drilled:
        async with serving(till, port) as server:
            engine = OpenAIEngine("m", base_url=server.url, **{"first_backoff": 0.001, "retries": 3} | settings)
            metered = Metered(engine, price=PRICE, **bounds)
            try:
                async with CachedEngine(metered, journal) as cached:
                    judge = MixJudge(engine=cached, sampling=sampling)
                    return server, metered, [row async for row in rows(judge, PAIRS)]
            except RunStoppedError as stopped:
                return server, metered, stopped

    return asyncio.run(run())


KNOWN = {
    "whole answers": Till(chat(A), COUNTED),
    "refusals": Till(chat(None, refusal="I would rather not."), Usage(READ, 0)),
    "filtered texts": Till(chat(A, "content_filter"), COUNTED),
    "texts without a verdict": Till(chat("I cannot say."), Usage(READ, 3)),
    "an aborted text, then a whole one": Till(chat(A, "abort"), COUNTED, chat(A)),
    "numbers for a text, then a whole one": Till(
        broken(b'{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}], '
               b'"usage": {"prompt_tokens": 7, "completion_tokens": 4}}'), Usage(READ, 4), chat(A),
    ),
    "a body that is no JSON but says its usage, then a whole one": Till(
        broken(b'{"usage": {"prompt_tokens": 7, "completion_tokens": 4}, "choices": [{"mess'), Usage(READ, 4), chat(A),
    ),
    "an error with status 200 and usage, then a whole one": Till(
        broken(b'{"error": {"message": "upstream"}, "usage": {"prompt_tokens": 7, "completion_tokens": 0}}'),
        Usage(READ, 0), chat(A),
    ),
    "an error with usage for ever": Till(
        Reply(500, b'{"error": {"message": "late"}, "usage": {"prompt_tokens": 7, "completion_tokens": 2}}'),
        Usage(READ, 2),
    ),
    "errors that are not billed, then a whole one": Till(error(500), Usage(), chat(A)),
    "too many requests, then a whole one": Till(Reply(429, b"{}", {"retry-after-ms": "1"}), Usage(), chat(A)),
    "prompts that a filter stops": Till(error(400, "Filtered.", code="content_filter"), Usage()),
    "a thought that is only in the total": Till(without(total_tokens=READ + WRITTEN + 50), Usage(READ, WRITTEN + 50)),
    "usage without its total": Till(without("total_tokens"), COUNTED),
    "names of another dialect": Till(without(*ALL, input_tokens=READ, output_tokens=WRITTEN), COUNTED),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_told_is_what_the_server_billed(name: str) -> None:
    till = KNOWN[name]
    till.billed = Usage()
    server, metered, _ = drilled(till)
    assert len(server.calls) >= len(PAIRS) or name == "an error with usage for ever"
    assert metered.usage == metered.estimated == till.billed
    assert metered.cost == pytest.approx(PRICE.of(till.billed))
    assert metered.calls == len(server.calls)


CUT = replace(chat(A), cut=True)
UNKNOWN = {
    "no usage": (Till(NO_USAGE, COUNTED), 60),
    "usage that is null": (Till(broken(chat(A).body.replace(b'"usage": {', b'"usage": null, "x": {')), COUNTED), 60),
    "the prompt alone": (Till(without("completion_tokens", "total_tokens"), COUNTED), 60),
    "usage of zeros": (Till(without(prompt_tokens=0, completion_tokens=0, total_tokens=0), COUNTED), 60),
    "usage that is no number": (Till(without(prompt_tokens="7", completion_tokens=None), COUNTED), 60),
    "an empty body, then a whole one": (Till(broken(b""), COUNTED, chat(A)), 60),
    "half a body, then a whole one": (Till(broken(chat(A).body[:150]), COUNTED, chat(A)), 60),
    "a connection that breaks, then a whole one": (Till(CUT, COUNTED, chat(A)), 60),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_server_told_is_unknown_and_estimated_rather_too_high(name: str) -> None:
    till, unknown = UNKNOWN[name]
    till.billed = Usage()
    _, metered, judged = drilled(till)
    assert metered.usage.unknown_calls == unknown
    assert metered.cost is None
    assert metered.usage.tokens <= till.billed.tokens < metered.estimated.tokens
    assert metered.estimated_cost is not None
    assert metered.estimated_cost > PRICE.of(till.billed)
    assert "unknown" in str(metered)
    assert "60 of" in str(metered)
    assert isinstance(judged, list)
    assert {row["status"] for row in judged} == {"ok"}
    told = judged[0]["tokens"]
    whole = {"prompt": READ, "completion": WRITTEN}
    assert told == whole if till.then is not till.first else (None in told.values() and told["unknown_calls"] == 1)


def test_a_run_from_the_journal_pays_nothing_and_still_calls_unknown_what_was(tmp_path: Path) -> None:
    server, _, judged = drilled(Till(NO_USAGE, COUNTED), tmp_path / "journal")
    port = int(server.url.split(":")[-1].split("/")[0])
    server, metered, again = drilled(Till(NO_USAGE, COUNTED), tmp_path / "journal", port=port)
    assert (len(server.calls), metered.usage, metered.cost) == (0, Usage(), 0)
    assert again == judged


def test_calls_that_hang_or_are_given_up_are_unknown_too() -> None:
    till = Till(HANG, COUNTED, chat(A))
    _, metered, _ = drilled(till, timeout=0.3, hedge=False, retries=20)
    late = metered.usage.unknown_calls
    assert late >= 60, "and some more on a machine so busy that others are late as well"
    assert metered.usage == Usage(60 * READ, 60 * WRITTEN, unknown_calls=late)
    assert metered.estimated.completion_tokens == 60 * WRITTEN + late * 100, "max_tokens each, where nothing came"


def test_a_server_that_was_never_reached_billed_nothing() -> None:
    async def run() -> Metered:
        engine = OpenAIEngine("m", base_url="http://127.0.0.1:9/v1", first_backoff=0.001, retries=2)
        metered = Metered(engine)
        with pytest.raises(EngineError):
            await metered.complete(Request(({"role": "user", "content": "x"},)))
        return metered

    assert asyncio.run(run()).usage == Usage()


@pytest.mark.parametrize(
    "bound", [{"max_tokens": 500}, {"max_cost": PRICE.of(Usage(100, 300))}], ids=["tokens", "cost"]
)
@pytest.mark.parametrize("name", [*KNOWN, *UNKNOWN])
def test_a_bound_holds_within_the_calls_in_flight(name: str, bound: dict[str, Any]) -> None:
    till = KNOWN[name] if name in KNOWN else UNKNOWN[name][0]
    till.billed = Usage()
    server, metered, stopped = drilled(till, concurrency=8, **bound)
    largest = max(till.cost, till.then_cost, key=lambda usage: usage.tokens)
    if "max_tokens" in bound:
        assert till.billed.tokens <= 500 + 8 * largest.tokens
    else:
        assert PRICE.of(till.billed) <= bound["max_cost"] + 8 * PRICE.of(largest)
    if metered.usage.tokens + metered.usage.unknown_calls and till.cost.tokens * 60 > 1000:
        assert isinstance(stopped, SpentError)
        assert len(server.calls) < 60


def test_an_estimate_under_a_bound_is_announced_once(caplog: pytest.LogCaptureFixture) -> None:
    drilled(Till(NO_USAGE, COUNTED), max_tokens=5000)
    drilled(Till(chat(A), COUNTED), max_tokens=5000)
    drilled(Till(NO_USAGE, COUNTED))
    assert (
        len(
            [
                text
                for text in caplog.messages
                if "reported no token usage; for such calls the bound counts an estimate" in text
            ]
        )
        == 1
    )


# An answer that lacks what was asked for ------------------------------------------------------------------------------


def with_logprobs(token: str = "A") -> Reply:
    body = json.loads(chat(A).body)
    top = [{"token": token, "logprob": -0.1}, {"token": "B", "logprob": -3.0}]
    tokens = [{"token": part, "logprob": -0.1, "top_logprobs": top} for part in ("...[[", token, "]]")]
    body["choices"][0]["logprobs"] = {"content": tokens}
    return Reply(body=json.dumps(body).encode())


LACKING = {
    "none": chat(A),
    "null": broken(chat(A).body.replace(b'"finish_reason"', b'"logprobs": {"content": null}, "finish_reason"')),
    "of no known form": broken(chat(A).body.replace(b'"finish_reason"', b'"logprobs": [1], "finish_reason"')),
}
ASKING = Sampling(max_tokens=100, top_logprobs=5)


@pytest.mark.parametrize("lacking", LACKING)
def test_the_first_answer_without_log_probabilities_stops_the_run_is_stored_and_never_paid_again(
    lacking: str, tmp_path: Path
) -> None:
    till = Till(LACKING[lacking], COUNTED)
    server, metered, stopped = drilled(till, tmp_path / "journal", sampling=ASKING)
    assert isinstance(stopped, RunStoppedError)
    assert "--aggregate majority" in str(stopped)
    assert len(server.calls) <= 16, "no more than were in flight"
    assert metered.usage == till.billed
    stored = list(entries(tmp_path / "journal"))
    assert len(stored) == len(server.calls), "those in flight are stored as well"
    assert {entry.completion.lacks for entry in stored} == {"log-probabilities"}
    port = int(server.url.split(":")[-1].split("/")[0])  # the same server: another address is another engine
    server, metered, stopped = drilled(till, tmp_path / "journal", sampling=ASKING, port=port)
    assert isinstance(stopped, MissingLogprobsError)
    assert (len(server.calls), metered.usage) == (0, Usage())


def test_without_log_probabilities_in_the_request_nothing_is_lacking() -> None:
    _, _, judged = drilled(Till(chat(A), COUNTED))
    assert isinstance(judged, list)


def test_one_answer_without_log_probabilities_among_many_with_them_costs_its_own_row_alone() -> None:
    def answer(call: Call) -> Reply:
        return chat(A) if b"Task 7\\n" in call.content else with_logprobs()

    _, metered, judged = drilled(answer, sampling=ASKING, concurrency=1)
    assert isinstance(judged, list)
    failed = [row for row in judged if row["status"] == "failed"]
    assert [row["id"] for row in failed] == ["7"]
    assert failed[0]["votes"][0]["error"] == "the server returned no log-probabilities this time"
    assert metered.usage == Usage(60 * READ, 60 * WRITTEN)


def test_a_text_that_was_declined_needs_no_log_probabilities() -> None:
    _, _, judged = drilled(Till(chat(None, refusal="No."), Usage(READ, 0)), sampling=ASKING)
    assert isinstance(judged, list)
    assert {row["status"] for row in judged} == {"refused"}


# Runs that cannot go on -----------------------------------------------------------------------------------------------

HTML = Reply(501, b"<html><h1>Not Implemented</h1></html>")
FATAL = {
    "401": error(401),
    "402": error(402),
    "403": error(403),
    "404": error(404),
    "405": error(405),
    "501 with a page": HTML,
    "a page with status 200": Reply(200, b"<!DOCTYPE html><html>Log in</html>"),
    "a redirection": Reply(308, b"", {"location": "http://elsewhere.test/"}),
    "a wrong key with status 400": error(400, "API key not valid. Please pass one.", status="INVALID_ARGUMENT"),
    "an unknown model with status 400": error(400, "The model `m` does not exist", code="model_not_found"),
    "a setting that the model does not take": error(400, "Unsupported parameter", code="unsupported_parameter"),
    "402 with status 200": error(402, "Insufficient credits.", code=402, told=200),
    "401 as text with status 200": error(401, "Who are you?", code="401", told=200),
    "404 by its name with status 200": error(404, "No such thing", told=200, type="not_found_error"),
    "no credit with status 429": error(429, "You exceeded your quota", code="insufficient_quota"),
    "no credit with status 400": error(400, "Your credit balance is too low to access the API."),
    "an error in a list": Reply(200, b'[{"error": {"message": "Denied", "status": "PERMISSION_DENIED"}}]'),
    "an error without a shell": Reply(200, b'{"message": "no such model: m", "type": "NotFoundError", "code": 404}'),
}  # fmt: skip


@pytest.mark.parametrize("name", FATAL)
def test_a_refusal_that_all_calls_would_get_stops_the_run_after_the_first_few(name: str) -> None:
    server, metered, stopped = drilled(Till(FATAL[name], Usage()))
    assert isinstance(stopped, RunStoppedError)
    assert len(server.calls) <= 16 + 2, "those in flight when the first answers came, each once"
    assert {call.turn for call in server.calls} == {0}
    assert metered.usage == Usage()


@pytest.mark.parametrize(("name", "most"), [("401", 10 + 8), ("402", 1 + 8), ("404", 10 + 8)])
def test_after_calls_that_went_well_it_takes_more_of_them_but_for_an_empty_account(name: str, most: int) -> None:
    refusals: list[Call] = []

    def answer(call: Call) -> Reply:
        if b"Task 2" not in call.content and b"Task 3" not in call.content:
            return chat(A)
        refusals.append(call)
        return FATAL[name]

    _, _, stopped = drilled(answer, concurrency=8)
    assert isinstance(stopped, RunStoppedError)
    assert len(refusals) <= most


def test_refusals_of_single_prompts_stop_nothing() -> None:
    def answer(call: Call) -> Reply:
        return error(400, f"too long {hash(call.content)}") if b"Task 1" in call.content else chat(A)

    _, _, judged = drilled(answer)
    assert isinstance(judged, list)
    assert [row["status"] for row in judged].count("failed") == 11


def test_where_each_of_the_first_calls_is_refused_the_run_stops() -> None:
    server, _, stopped = drilled(Till(error(400, "what is this?"), Usage()))
    assert isinstance(stopped, RunStoppedError)
    assert len(server.calls) <= 10 + 16


def test_a_server_that_fails_at_every_try_stops_the_run() -> None:
    server, _, stopped = drilled(Till(error(500), Usage()), retries=1)
    assert isinstance(stopped, RunStoppedError)
    assert len(server.calls) < 2 * 60


def test_a_server_that_is_not_there_stops_the_run_after_a_handful_of_tries(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> RunStoppedError:
        engine = OpenAIEngine("m", base_url="http://127.0.0.1:9/v1", connect_wait=0.2, first_backoff=0.05)
        judge = MixJudge(engine=engine)
        with pytest.raises(RunStoppedError) as caught:
            [_ async for _ in rows(judge, PAIRS)]
        return caught.value

    stopped = asyncio.run(run())
    assert "is a server running at http://127.0.0.1:9/v1?" in str(stopped)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1, "told at once, once"


def test_a_server_that_went_away_gets_all_tries_before_a_call_fails() -> None:
    async def run() -> str:
        async with serving(lambda _: chat(A)) as server:
            engine = OpenAIEngine("m", base_url=server.url, connect_wait=0.001, first_backoff=0.001, retries=4)
            await engine.complete(Request(({"role": "user", "content": "x"},)))
        with pytest.raises(EngineError) as caught:
            await engine.complete(Request(({"role": "user", "content": "y"},)))
        return str(caught.value)

    assert "gave up after 5 tries" in asyncio.run(run())


def test_after_close_the_server_gets_another_chance() -> None:
    replies = iter([error(401)])

    async def run() -> Completion:
        async with serving(lambda _: next(replies, chat(A))) as server:
            engine = OpenAIEngine("m", base_url=server.url)
            request = Request(({"role": "user", "content": "x"},))
            with pytest.raises(EngineError, match="401"):
                await engine.complete(request)
            with pytest.raises(RunStoppedError, match="401"):
                await engine.complete(request)
            await engine.close()
            async with engine:
                return await engine.complete(request)

    assert asyncio.run(run()).text == A


# By the command line --------------------------------------------------------------------------------------------------


def by_command(answer: Callable[[Call], Reply], folder: Path, *options: str) -> tuple[Server, Any]:
    pairs = folder / "pairs.jsonl"
    tasks = [{"prompt": f"Task {n}", "response_a": "yes", "response_b": "no"} for n in range(40)]
    pairs.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    (folder / "prices.yaml").write_text("judge-7b: {prompt: 10, completion: 30}\n")

    async def run() -> tuple[Server, Any]:
        async with serving(answer) as server:
            arguments = ["judge", str(pairs), "--model", "judge-7b", "--base-url", server.url, "--no-swap"]
            arguments += ["--engine-option", "first_backoff=0.001", "--out", str(folder / "out.jsonl"), *options]
            return server, await asyncio.to_thread(CliRunner().invoke, app, arguments)

    return asyncio.run(run())


def test_a_command_tells_unknown_spending_as_unknown(tmp_path: Path) -> None:
    _, result = by_command(Till(NO_USAGE, COUNTED), tmp_path, "--prices", str(tmp_path / "prices.yaml"))
    assert result.exit_code == 0
    assert "total unknown (40 of 40 calls reported no token usage; estimated: " in result.stderr
    spent = json.loads((tmp_path / "out.jsonl.meta.json").read_text())["spent"]["this_run"]
    assert (spent["prompt_tokens"], spent["completion_tokens"], spent["cost"]) == (None, None, None)
    assert spent["unknown_calls"] == 40
    assert 0 < spent["estimated_cost"] < 1
    told = [json.loads(line)["tokens"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert told == [{"prompt": None, "completion": None, "unknown_calls": 1}] * 40


@pytest.mark.parametrize("name", FATAL)
def test_a_command_that_cannot_go_on_says_so_in_one_line_with_exit_code_1(name: str, tmp_path: Path) -> None:
    server, result = by_command(Till(FATAL[name], Usage()), tmp_path)
    assert len(server.calls) <= 16 + 2
    assert isinstance(result.exception, FathomError)
    assert result.exception.exit_code == 1
    assert str(result.exception).startswith("stopped: ")
    assert "\n" not in str(result.exception)


def test_a_command_without_a_price_prints_the_line_that_is_missing(tmp_path: Path) -> None:
    server, result = by_command(Till(chat(A), COUNTED), tmp_path, "--max-cost", "1")
    assert len(server.calls) == 0
    assert "no price is known for judge-7b" in str(result.exception)
    assert str(result.exception).endswith(": judge-7b: {prompt: .., completion: ..}")


def test_far_more_votes_than_a_bound_allows_wait_for_no_call_and_take_no_memory() -> None:
    """Ten million votes are cast a few at a time: the bound is met long before the others are thought of."""

    async def run() -> tuple[Server, Metered]:
        async with serving(lambda _: chat(A)) as server:
            metered = Metered(OpenAIEngine("m", base_url=server.url), max_tokens=1000)
            voter = Repeated(Swapped(MixJudge(engine=metered, sampling=Sampling(temperature=1))), 10_000_000)
            with pytest.raises(SpentError):
                await voter(PAIRS[0])
            return server, metered

    server, metered = asyncio.run(run())
    assert 1 < len(server.calls) <= 1000 // COUNTED.tokens
    assert metered.usage.tokens <= 1000


@pytest.mark.parametrize(
    "useless",
    [
        pytest.param(broken(b""), id="empty bodies"),
        pytest.param(broken(chat(A).body[:150]), id="cut bodies"),
        pytest.param(chat(A, "abort"), id="texts that break off"),
        pytest.param(broken(b'{"id": 1, "usage": {"prompt_tokens": 7, "completion_tokens": 15}}'), id="no choices"),
    ],
)
def test_answers_that_are_paid_for_and_useless_stop_the_run_soon(useless: Reply) -> None:
    till = Till(useless, COUNTED)
    server, metered, stopped = drilled(till, retries=8)
    assert isinstance(stopped, RunStoppedError)
    assert "may be billed" in str(stopped)
    assert len(server.calls) <= 32 + 16
    assert metered.estimated.tokens >= till.billed.tokens


def test_a_server_that_never_worked_gets_no_more_rows_than_it_is_first_tried_with() -> None:
    server, _, stopped = drilled(Till(error(500), Usage()), retries=8)
    assert isinstance(stopped, RunStoppedError)
    assert len({call.content for call in server.calls}) <= 2 * 16
    assert len(server.calls) <= 2 * 16 * 9
