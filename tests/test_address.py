"""Where calls go and what goes with them: addresses with a query, headers, keys, proxies; no secret in any result."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from fathom.engines import Request
from fathom.engines.address import address, is_openai
from fathom.engines.openai import OpenAIEngine
from fathom.errors import FathomError
from serving import Call, Reply, Server, chat, serving

SECRET = "s3cr3t-0123456789"
VARIABLES = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
A = "Final verdict: [[A]]"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("MY_SECRET", SECRET)
    return monkeypatch


def asked(path: str = "/v1", **settings: Any) -> tuple[Server, OpenAIEngine]:
    """A server below which `path` was asked once; {host} in a proxy's address stands for the server's own."""

    async def run() -> tuple[Server, OpenAIEngine]:
        async with serving(lambda _: chat(A)) as server:
            base = server.url.removesuffix("/v1")
            given = {
                name: value.format(host=base.removeprefix("http://")) if name == "proxy" else value
                for name, value in settings.items()
            }
            async with OpenAIEngine("m", **{"base_url": f"{base}{path}"} | given) as engine:
                await engine.complete(Request(({"role": "user", "content": "x"},)))
                return server, engine

    return asyncio.run(run())


def azure(call: Call) -> Reply:
    """Answers where the version is in the address and the key in a header of its own."""
    known = call.query.get("api-version") == "2024-10-21" and call.headers.get("api-key") == SECRET
    return chat(A) if known and call.path == "/openai/deployments/judge/chat/completions" else Reply(404)


def test_an_address_with_a_query_and_a_key_in_a_header_of_its_own_reaches_its_server_and_shows_no_key(
    tmp_path: Path,
) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    pairs.write_text('{"prompt": "Task", "response_a": "yes", "response_b": "no"}\n')

    async def run() -> Any:
        async with serving(azure) as server:
            base_url = f"{server.url.removesuffix('/v1')}/openai/deployments/judge?api-version=2024-10-21"
            options = [
                "--base-url",
                base_url,
                "--engine-option",
                "headers={api-key: $MY_SECRET}",
                "--no-swap",
                "--out",
                str(out),
            ]
            return await asyncio.to_thread(CliRunner().invoke, app, ["judge", str(pairs), "--model", "m", *options])

    result = asyncio.run(run())
    assert result.exit_code == 0, result.output
    [row] = [json.loads(line) for line in out.read_text().splitlines()]
    assert row["winner"] == 0
    assert "api-version=2024-10-21" in (tmp_path / "out.jsonl.meta.json").read_text()
    for path in tmp_path.iterdir():
        assert SECRET not in path.read_bytes().decode(errors="replace"), path.name


def test_a_secret_in_a_query_is_named_and_never_shown() -> None:
    server, engine = asked("/v1?key=$MY_SECRET&version=2")
    assert dict(server.calls[0].query) == {"key": SECRET, "version": "2"}
    assert SECRET not in engine.identity + repr(engine.address)
    assert "key=$MY_SECRET&version=2" in engine.identity
    assert engine.address.without_secrets(f"bad key {SECRET}!") == "bad key [key]!"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/chat/completions", "/v1/chat/completions?x=1", "/v1/?x=1"])
def test_the_address_of_the_endpoint_itself_is_taken_too(path: str) -> None:
    server, _ = asked(path)
    assert server.calls[0].path == "/v1/chat/completions"


def test_headers_go_into_every_request_and_those_without_a_secret_tell_engines_apart() -> None:
    headers = {"X-Title": "judging", "Authorization": "Token $MY_SECRET", "X-Number": 3}
    server, engine = asked(headers=headers)
    sent = server.calls[0].headers
    assert (sent["X-Title"], sent["Authorization"], sent["X-Number"]) == ("judging", f"Token {SECRET}", "3")
    assert "judging" in engine.identity
    assert "SECRET" not in engine.identity.upper()
    assert OpenAIEngine("m", base_url=engine.base_url).identity != engine.identity
    keyed = OpenAIEngine("m", base_url=engine.base_url, headers={"api-key": "$MY_SECRET"})
    assert keyed.identity == OpenAIEngine("m", base_url=engine.base_url).identity


@pytest.mark.parametrize("name", ["key", "api_key", "sig", "code", "access-token", "subscription-key"])
def test_a_secret_that_is_written_out_is_refused_with_what_to_write_instead(name: str) -> None:
    for settings in ({"base_url": f"http://host/v1?{name}={SECRET}"}, {"headers": {name: SECRET}}):
        with pytest.raises(FathomError, match=rf"{name} as '\$NAME'") as caught:
            OpenAIEngine("m", **{"base_url": "http://host/v1"} | settings)
        assert SECRET not in str(caught.value)


# The address and the key of OpenAI ------------------------------------------------------------------------------------


def authorization(base_url: str | None = None, **settings: Any) -> str | None:
    return address(base_url, "chat/completions", **settings).headers.get("Authorization")


def test_openai_base_url_is_the_address_unless_another_is_given(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPENAI_BASE_URL", "http://localhost:8123/v1/")
    assert str(address(None, "chat/completions").url) == "http://localhost:8123/v1/chat/completions"
    assert str(address("http://other/v1", "completions").url) == "http://other/v1/completions"
    assert not is_openai()
    environment.setenv("OPENAI_BASE_URL", " ")
    environment.setenv("OPENAI_API_KEY", SECRET)
    assert str(address(None, "chat/completions").url) == "https://api.openai.com/v1/chat/completions"
    assert is_openai()


def test_openais_key_goes_to_openai_and_to_the_address_of_the_environment_alone(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("OPENAI_API_KEY", SECRET)
    bearer = f"Bearer {SECRET}"
    assert authorization() == bearer
    assert authorization("https://api.openai.com/v1/") == bearer
    assert authorization("https://eu.api.openai.com/v1") == bearer
    for other in ("http://localhost:8000/v1", "http://api.openai.com/v1", "https://api.openai.com.evil.test/v1"):
        assert authorization(other) is None, other
    environment.setenv("OPENAI_BASE_URL", "http://localhost:8123/v1")
    assert authorization() == bearer
    assert authorization("http://localhost:8123/v1") is None, "given, and not the environment's"
    assert authorization("http://localhost:8000/v1", api_key_env="OPENAI_API_KEY") == bearer


def test_a_server_of_the_environment_needs_no_key(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPENAI_BASE_URL", "http://localhost:8123/v1")
    assert authorization() is None
    environment.delenv("OPENAI_BASE_URL")
    with pytest.raises(FathomError, match="the environment has no variable OPENAI_API_KEY"):
        authorization()


def test_a_command_asks_the_server_of_the_environment(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "Task", "response_a": "yes", "response_b": "no"}\n')

    async def run() -> Server:
        async with serving(lambda _: chat(A)) as server:
            environment.setenv("OPENAI_BASE_URL", server.url)
            environment.setenv("OPENAI_API_KEY", SECRET)
            arguments = ["judge", str(pairs), "--engine", "openai", "--model", "m", "--no-swap"]
            result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
            assert result.exit_code == 0, result.output
            assert SECRET not in result.output
            return server

    assert [call.headers["Authorization"] for call in asyncio.run(run()).calls] == [f"Bearer {SECRET}"]


# Proxies --------------------------------------------------------------------------------------------------------------


def test_a_proxy_gets_the_calls_and_its_password_is_named() -> None:
    server, _ = asked(base_url="http://judge.test/v1", proxy="http://me:$MY_SECRET@{host}")
    [call] = server.calls
    assert call.headers["Host"] == "judge.test"
    assert call.headers["Proxy-Authorization"] == f"Basic {b64encode(f'me:{SECRET}'.encode()).decode()}"


def test_the_proxy_of_the_environment_is_used_but_not_for_servers_of_this_machine(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("HTTP_PROXY", f"http://me:{SECRET}@proxy:3128")
    environment.setenv("HTTPS_PROXY", "proxy:3129")
    environment.setenv("NO_PROXY", "inside.test")

    def proxy(base_url: str, **settings: Any) -> str | None:
        return address(base_url, "completions", **settings).proxy

    assert proxy("http://judge.test/v1") == f"http://me:{SECRET}@proxy:3128"
    assert proxy("https://judge.test/v1") == "http://proxy:3129"
    assert proxy("http://judge.inside.test/v1") is None
    assert [proxy(f"http://{host}:8000/v1") for host in ("localhost", "127.0.0.1", "[::1]")] == [None] * 3
    assert proxy("http://judge.test/v1", proxy="none") is None
    assert proxy("http://localhost:8000/v1", proxy="http://other:1") == "http://other:1"
    there = address("http://judge.test/v1", "completions")
    assert there.without_secrets(f"no {SECRET}") == "no [key]"
    assert SECRET not in repr(there)
