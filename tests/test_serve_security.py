"""Who may use the reward server, what it survives, and what it never writes to a log."""

from __future__ import annotations

import asyncio
import hmac
import json
import random
import signal
import string
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil
import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import EngineSettings, FathomError, JudgingSettings, RewardSettings, ScriptedEngine, ServeSettings
from fathom.serve.clients import identify, read_tokens
from fathom.serve.running import serve
from reward_server import bodies, posts, process, reward_server, warms_up
from serving import HANG, Call, Reply, chat, serving

SECRET = "a-token-of-many-characters"
REWARDS = {"samples": [{"prompt": "p", "response": "r"}]}


# Tokens and addresses -------------------------------------------------------------------------------------------------


def test_requests_need_a_token_if_there_are_any(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"another-{SECRET}\n{SECRET}\n")

    async def main() -> None:
        engine = ScriptedEngine("[RESULT] 4")
        async with reward_server(engine, "prometheus", tokens=read_tokens(file)) as server:
            before = len(engine.requests)
            wrong = ("", "Bearer", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Basic {SECRET}", "Bearer \xff")
            for value in wrong:
                status, _, headers = await server.post("/v1/rewards", REWARDS, authorization=value)
                assert status == 401
                assert headers["www-authenticate"] == "Bearer"
            for path in ("/metrics", "/v1/models", "/openapi.json", "/none"):
                assert (await server.get(path))[0] == 401
            assert [(await server.get(path))[0] for path in ("/health", "/ready", "/")] == [200, 200, 200]
            assert len(engine.requests) == before
            status, _, _ = await server.post("/v1/rewards", REWARDS, authorization=f"Bearer {SECRET}")
            assert status == 200

    asyncio.run(main())


def test_all_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("\n".join(f"{n}-{SECRET}" for n in range(3)))
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tokens = read_tokens(file)
    assert identify(f"Bearer 0-{SECRET}", "host", tokens) == "token-0"
    assert identify("Bearer x", "host", tokens) is None
    assert compared == [(32, 32)] * 6, "digests of one length, and all of them whichever matches"


@pytest.mark.parametrize("text", ["", "short\n", f"{SECRET}\nshort\n"])
def test_a_file_without_usable_tokens_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(FathomError, match="expected a text file with a token of at least 16 characters"):
        read_tokens(file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7"])
def test_another_address_than_this_machines_needs_a_token(host: str) -> None:
    with pytest.raises(FathomError, match="needs --token-file"):
        serve(JudgingSettings(), RewardSettings(), ServeSettings(host=host))
    assert ServeSettings().host == "127.0.0.1"


# Malformed requests ---------------------------------------------------------------------------------------------------


async def post_bytes(
    http: aiohttp.ClientSession, url: str, content: bytes, kind: str = "application/json"
) -> tuple[int, str]:
    """The status of the answer, and the message of an error."""
    async with http.post(url, data=content, headers={"content-type": kind}) as response:
        return response.status, message_of(response.status, await response.read())


def message_of(status: int, answer: bytes) -> str:
    """The message of an error; empty for another answer. An answer must be strict JSON."""

    def refuse(number: str) -> None:
        raise AssertionError(f"{number} is not JSON: {answer!r}")

    body = json.loads(answer, parse_constant=refuse)
    message: str = "" if status == 200 else body["error"]["message"]
    assert message or status == 200
    return message


NAMES = (
    *(
        "comparisons",
        "samples",
        "query",
        "prompts",
        "input",
        "messages",
        "queries",
        "documents",
        "id",
        "reward",
        "prompt",
    ),
    *("response", "label", "responses_create_params", "conversation_history", "response_objs", "text", "items", "task"),
    *("input_ids", "responses", "verify_responses", "resources_session_id"),
)
VALID = bodies("p", "r") | {
    "/v1/rankings": {"comparisons": [{"prompt": "p", "responses": ["r", "s"], "id": 1}]},
    "/aggregate_metrics": {"verify_responses": [{"reward": 1.0, "_ng_task_index": 0}, {"reward": 1e300}]},
    "/seed_session": {"resources_session_id": "s"},
}
HEADERS = {
    "content-type": ("text/plain", "", "application/json; charset=utf-7"),
    "x-fathom-deadline": ("nan", "-1", "0", "soon", "1e999", "9" * 400),
    "x-fathom-reward": ("another", "", "\u00ff"),
    "traceparent": ("", "00-0-0-01", "x" * 5000, f"00-{'0' * 32}-{'0' * 16}-00"),
    "authorization": ("", "Bearer", "Basic x", f"Bearer {'x' * 5000}"),
}


MAX_BODY = 20_000


class Sent(NamedTuple):
    """A request, and whether the server must refuse it."""

    method: str
    path: str
    content: bytes
    headers: dict[str, str]
    wrong: bool

    async def status(self, http: aiohttp.ClientSession, url: str, *, chunked: bool) -> int:
        """The status of the answer."""

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(self.content), 7000):
                yield self.content[start : start + 7000]

        data = chunks() if chunked else self.content
        try:
            async with http.request(self.method, url + self.path, data=data, headers=self.headers) as response:
                message_of(response.status, await response.read())
                allowed = response.status == 200 and not self.wrong
                assert allowed or 400 <= response.status < 500, (self, response.status)
                return response.status
        except aiohttp.ClientConnectionError:  # the server refused the body and closed the connection before its end
            assert chunked, self
            assert len(self.content) > MAX_BODY, self
            return 413


def requests(draw: random.Random) -> Iterator[Sent]:
    """Bodies that no protocol can take, and valid ones with one wrong value, with usual and unusual headers."""
    paths = [*posts(), "/", "/none"]
    ignoring = ("/seed_session", "/close_session")  # they need no field, and ignore those that they do not know
    while True:
        headers = {"content-type": "application/json"}
        if draw.random() < 0.2:
            name = draw.choice(list(HEADERS))
            headers[name] = draw.choice(HEADERS[name])
        method = draw.choice(["POST"] * 19 + ["PUT"])
        if draw.random() < 0.3:
            path, body = draw.choice(list(VALID.items()))
            yield Sent(method, path, json.dumps(altered(draw, body)).encode(), headers, wrong=False)
        else:
            path = draw.choice(paths)
            yield Sent(method, path, malformed(draw), headers, wrong=path not in ignoring)


def value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return draw.choice([None, True, -1, 0, 1e308, -1e308, 2**70, 10**400, -0.0])
    if kind <= 2:
        return "".join(draw.choices(string.printable + "é漢\u0000\ud800", k=draw.randrange(30)))
    if kind <= 5:
        return draw.choice(["", [], {}, 7, 1.5])
    if kind == 6:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice(NAMES): value(draw, depth + 1) for _ in range(draw.randrange(4))}


def altered(draw: random.Random, body: Any) -> Any:
    """A body with another value at one place."""
    if not isinstance(body, dict | list) or not body or draw.random() < 0.1:
        return value(draw)
    key = draw.choice(list(body) if isinstance(body, dict) else range(len(body)))
    copy = body.copy()
    copy[key] = altered(draw, body[key])
    return copy


def malformed(draw: random.Random) -> bytes:
    """Valid JSON of other types, broken JSON, NaN, too large numbers, deep nesting, wrong encodings, too many bytes."""

    def wrong() -> Any:
        """An object whose known fields have wrong types."""
        return {name: draw.choice([5, {"a": value(draw)}, [None, 3], [[value(draw)]], 2.5, True]) for name in NAMES}

    form = draw.randrange(10)
    text = json.dumps(wrong() if draw.random() < 0.5 else [value(draw)])
    if form == 0:
        return text.encode()[: draw.randrange(len(text))] + b"}"
    if form == 1:
        number = draw.choice([b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
        return b'{"samples": [{"prompt": "p", "response": "r"}], "query": ["q"], "x": [{"y": %b}]}' % number
    if form == 2:
        deep = draw.choice([100, 10_000])
        return b'{"samples": ' + b"[" * deep + b"]" * deep + b"}"
    if form == 3:
        return draw.randbytes(draw.randrange(200))
    if form == 4:
        return b'{"samples": [' + b"[]," * 5000 + b"[]]}"
    if form == 5:
        return b'{"query": ["\\ud800"], "samples": [{"prompt": "\\udfff", "response": "r"}], "input": "\\ud800"}'
    if form == 6:
        return b'{"samples": [{"prompt": "p", "response": "r", "id": ' + b"9" * 5000 + b"}]}"
    if form == 7:
        return json.dumps({"samples": [{"prompt": "p", "response": "r" * 30_000}]}).encode()
    return text.encode()


async def fuzz(http: aiohttp.ClientSession, url: str, count: int, seed: int) -> Counter[int]:
    draw = random.Random(seed)
    statuses: Counter[int] = Counter()
    endless = requests(draw)
    for _ in range(count // 10):
        sent = [next(endless) for _ in range(10)]
        statuses.update(await asyncio.gather(*(each.status(http, url, chunked=draw.random() < 0.2) for each in sent)))
    return statuses


def test_malformed_requests_are_refused_and_never_break_the_server() -> None:
    async def main() -> None:
        engine = ScriptedEngine("[RESULT] 4")
        async with reward_server(engine, "prometheus", max_body=MAX_BODY, max_batch=4) as server:
            _, described = await server.get("/openapi.json")
            paths = json.loads(described)["paths"].items()
            assert {path for path, methods in paths if "post" in methods} <= set(posts()), "all paths get requests"
            statuses = await fuzz(server.http, server.url, 800, seed=1)
            assert {200, 400, 404, 405, 409, 413, 415, 422} == set(statuses)
            assert (await server.post("/v1/rewards", REWARDS))[0] == 200

    asyncio.run(main())


@pytest.mark.slow
def test_memory_is_flat_over_10000_malformed_requests(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4")) as upstream, aiohttp.ClientSession() as http:
            options = ["--max-body", str(MAX_BODY), "--max-batch", "4", "--breaker-share", "1"]
            with process(upstream.url, *options, log=tmp_path / "log") as (started, url):
                memory = psutil.Process(started.pid).memory_info
                await fuzz(http, url, 1000, seed=2)
                before = memory().rss
                await fuzz(http, url, 10_000, seed=3)
                assert memory().rss <= before * 1.05

    asyncio.run(main())


def test_numbers_that_are_not_finite_are_refused_by_every_path_with_the_name_of_the_field() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine("[RESULT] 4"), "prometheus") as server:
            for path in posts():
                status, message = await post_bytes(server.http, server.url + path, b'{"samples": [{"n": [1, -1e999]}]}')
                assert (status, message) == (422, "samples[0].n[1]: expected a number that fits into a 64-bit float")
                for name in (b"NaN", b"Infinity", b"-Infinity"):
                    status, message = await post_bytes(server.http, server.url + path, b'{"n": %b}' % name)
                    assert (status, message[:20]) == (400, "the body is not JSON")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("content-length: 10", b'{"samples": []}'),
        ("content-length: 1000", b'{"samples": []}'),
        ("content-length: -1", b'{"samples": []}'),
        ("content-length: 15\r\ntransfer-encoding: chunked", b"zz\r\n"),
        ("transfer-encoding: chunked", b"ffffffffffffffffffff\r\n{}"),
    ],
)
def test_a_body_of_another_length_than_stated_breaks_nothing(head: str, body: bytes) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine("[RESULT] 4"), "prometheus") as server:
            host, port = server.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            start = f"POST /v1/rewards HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{head}\r\n\r\n"
            writer.write(start.encode() + body)
            writer.write_eof()
            answer = await reader.read()
            assert not answer or answer.startswith(b"HTTP/1.1 4")
            writer.close()
            assert (await server.post("/v1/rewards", REWARDS))[0] == 200
            _, metrics = await server.get("/metrics")
            assert "fathom_requests_in_progress 1.0" in metrics, "only the request for the metrics"

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_a_page_of_another_site_cannot_send_requests_by_a_form(kind: str) -> None:
    """A browser sends these types to a server on its machine without asking it first, and never the type of JSON."""

    async def main() -> None:
        async with reward_server(ScriptedEngine("[RESULT] 4"), "prometheus") as server:
            for path, body in bodies("p", "r").items():
                assert (await post_bytes(server.http, server.url + path, json.dumps(body).encode(), kind))[0] == 415
            content = json.dumps(REWARDS).encode()
            for accepted in ("application/json; charset=utf-8", "application/problem+json"):
                assert (await post_bytes(server.http, f"{server.url}/v1/rewards", content, accepted))[0] == 200

    asyncio.run(main())


def test_a_client_cannot_pose_as_others_to_evade_its_limits() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine("[RESULT] 4"), "prometheus", client_rate=0.01) as server:
            assert (await server.post("/v1/rewards", REWARDS))[0] == 200
            for name in ("x-forwarded-for", "x-real-ip", "forwarded"):
                assert (await server.post("/v1/rewards", REWARDS, **{name: "10.0.0.1"}))[0] == 429

    asyncio.run(main())


def test_deep_nesting_is_refused_before_it_is_parsed() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine("[RESULT] 4"), "prometheus") as server:
            for depth, status in ((100, 422), (201, 400), (100_000, 400)):
                content = b'{"samples": ' + b"[" * depth + b"]" * depth + b"}"
                assert (await post_bytes(server.http, f"{server.url}/v1/rewards", content))[0] == status

    asyncio.run(main())


def test_a_request_can_neither_make_the_server_call_an_address_nor_choose_a_model_or_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4")) as upstream, serving(lambda call: Reply()) as canary:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            async with reward_server(None, "prometheus", engine_settings=engine) as server:
                file = tmp_path / "journal"
                chosen = dict.fromkeys(("base_url", "api_base", "url", "image", "upstream", "callback"), canary.url)
                chosen |= {"model": "another", "engine": "openai", "judge": str(file), "journal": str(file)}
                headers = {"x-fathom-base-url": canary.url, "x-forwarded-host": canary.url, "host": "other"}
                statuses = {}
                for path, body in bodies(
                    f"See {canary.url}/a.png", f'![x]({canary.url}/b.png) {{"file": "{file}"}}'
                ).items():
                    status, _, _ = await server.post(f"{path}?url={canary.url}", body | chosen, **headers)
                    statuses[path] = status
                own = {"/v1/rewards", "/v1/judgments"}
                assert {path for path, status in statuses.items() if status == 422} == own, "they take no other fields"
                assert {status for path, status in statuses.items() if path not in own} == {200}
                assert len(upstream.calls) > 1
                assert {call.fields["model"] for call in upstream.calls} == {"judge-7b"}
                assert canary.calls == []
                assert not file.exists()

    asyncio.run(main())


# Logs, and the end of the process -------------------------------------------------------------------------------------


def test_logs_have_no_prompt_response_or_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(call: Call) -> Reply:
        if b"PROMPT-refused" in call.content:
            return Reply(400, b'{"error": {"message": "too long: PROMPT-refused"}}')
        return Reply(500, b"PROMPT-broken") if b"PROMPT-broken" in call.content else chat("COMPLETION [RESULT] 4")

    tokens, log = tmp_path / "tokens", tmp_path / "log"
    tokens.write_text(f"{SECRET}\n")
    monkeypatch.setenv("JUDGE_KEY", "sk-UPSTREAM-KEY")

    async def main() -> list[int]:
        async with serving(answer) as upstream:
            options = ["--token-file", str(tokens), "--engine-option", "api_key_env=JUDGE_KEY"]
            options += ["--engine-option", "retries=1", "--engine-option", "first_backoff=0.01", "--breaker-share", "1"]
            with process(upstream.url, *options, log=log) as (started, url):
                statuses = []
                async with aiohttp.ClientSession(headers={"authorization": f"Bearer {SECRET}"}) as http:
                    for prompt in ("PROMPT-fine", "PROMPT-refused", "PROMPT-broken"):
                        for path, body in bodies(prompt, "RESPONSE").items():
                            async with http.post(url + path, json=body) as response:
                                statuses.append(response.status)
                    for body in (7, {"samples": [{"prompt": "PROMPT", "response": 7}]}):
                        for path in ("/v1/rewards", "/PROMPT-path?q=PROMPT-query", "/get_reward"):
                            async with http.post(url + path, json=body) as response:
                                statuses.append(response.status)
                    async with http.post(url + "/v1/rewards", json=body, headers={"authorization": "WRONG"}) as last:
                        statuses.append(last.status)
                started.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(started.wait, 30) == 0
                assert upstream.calls[-1].headers["authorization"] == "Bearer sk-UPSTREAM-KEY"
                return statuses

    statuses = asyncio.run(main())
    assert {200, 401, 404, 422} <= set(statuses)
    text = log.read_text()
    assert "draining" in text, "the log has lines"
    assert "POST /v1/rewards 422" in text
    for secret in ("PROMPT", "RESPONSE", "COMPLETION", SECRET, "UPSTREAM", "WRONG"):
        assert secret not in text


def test_a_server_is_not_ready_before_its_first_judgment(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(lambda call: HANG) as upstream:
            with process(upstream.url, log=tmp_path / "log") as (_, url):
                async with aiohttp.ClientSession() as http:
                    while not upstream.flying:
                        await asyncio.sleep(0.01)
                    async with http.get(f"{url}/ready") as response:
                        assert (response.status, (await response.json())["reason"]) == (503, "the server is starting")
                    async with http.get(f"{url}/health") as response:
                        assert response.status == 200
                    assert warms_up(upstream.calls[0].content.decode())

    asyncio.run(main())


def test_sigterm_under_load_loses_no_request(tmp_path: Path) -> None:
    async def main() -> None:
        # From the third turn on, calls take longer than the web server itself would wait.
        async with serving(lambda call: chat("[RESULT] 4", delay=3 if b"turn 3" in call.content else 0)) as upstream:
            with process(upstream.url, log=tmp_path / "log") as (started, url):
                outcomes: list[int | str] = []

                async def client(http: aiohttp.ClientSession, number: int) -> None:
                    for turn in range(1000):
                        body = {"samples": [{"prompt": f"client {number}, turn {turn}", "response": "r"}]}
                        try:
                            async with http.post(url + "/v1/rewards", json=body) as response:
                                answer = await response.json()
                                outcomes.append(response.status)
                        except aiohttp.ClientConnectorError:
                            return  # the server no longer listens: nothing was sent
                        except (aiohttp.ClientError, ConnectionError) as error:
                            outcomes.append(f"lost: {error!r}")
                            return
                        if response.status == 503:
                            assert "shutting down" in answer["error"]["message"]
                            assert response.headers["retry-after"]
                            return
                        assert answer["rewards"][0]["reward"] == 4.0

                async with aiohttp.ClientSession() as http:
                    clients = [asyncio.create_task(client(http, number)) for number in range(16)]
                    while upstream.flying < 16:
                        await asyncio.sleep(0.01)
                    started.send_signal(signal.SIGTERM)
                    await asyncio.gather(*clients)
                    assert await asyncio.to_thread(started.wait, 30) == 0
                assert outcomes.count(200) == 16 * 4
                assert set(outcomes) <= {200, 503}, "in progress: answered; later ones: refused, or not even sent"

    asyncio.run(main())
