"""Readings over HTTP agree with the local engine, and a body of another schema is never a score."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from fathom.engines import Answer, AnyRequest, ClassifyRequest, EngineError, LikelihoodRequest, answer, open
from fathom.engines.local import LocalEngine
from fathom.engines.reading_server import PROTOCOLS, ReadingServer
from fathom.errors import FathomError
from scoring_server import Fault, Scoring
from serving import Call, Reply, Server, serving
from tiny import make_checkpoint, make_classifier

MESSAGES = ({"role": "user", "content": "a question"},)
TOLERANCE = 1e-4
ONE_TOKEN = {"vllm_labels", "sglang_labels"}
OF_WHOLE_TEXTS = [name for name, protocol in PROTOCOLS.items() if protocol.capability != "steps"]
"""Scores of steps are in test_step_server.py."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "likelihood": make_checkpoint(tmp_path_factory.mktemp("causal")),
        "classification": make_classifier(tmp_path_factory.mktemp("classifier"), labels=1),
    }


def request_of(protocol: str) -> AnyRequest:
    if PROTOCOLS[protocol].capability == "classification":
        return ClassifyRequest(MESSAGES, "an answer")  # type: ignore[arg-type]
    return LikelihoodRequest(MESSAGES, "a" if protocol in ONE_TOKEN else "an answer")  # type: ignore[arg-type]


def asked(reply: Callable[[Call], Reply], folder: Path, protocol: str, request: AnyRequest) -> tuple[Any, Server]:
    async def run() -> tuple[Answer, Server]:
        async with serving(reply) as server:
            engine = ReadingServer("m", base_url=server.url, protocol=protocol, tokenizer=folder, retries=0)
            try:
                return await answer(engine, request), server
            finally:
                await engine.close()

    return asyncio.run(run())


@pytest.mark.parametrize("protocol", OF_WHOLE_TEXTS)
def test_a_server_gives_the_numbers_of_the_local_engine(protocol: str, folders: dict[str, Path]) -> None:
    folder = folders[PROTOCOLS[protocol].capability]
    request = request_of(protocol)
    [local] = [asyncio.run(answer(LocalEngine(folder), request))]
    found, server = asked(Scoring(folder), folder, protocol, request)
    values = "logits" if isinstance(request, ClassifyRequest) else "logprobs"
    assert getattr(found, values) == pytest.approx(getattr(local, values), abs=TOLERANCE)
    if isinstance(request, LikelihoodRequest):
        assert found.tokens == local.tokens
    assert found.usage.prompt_tokens == local.usage.prompt_tokens - (protocol in ONE_TOKEN)
    assert [call.path for call in server.calls] == [PROTOCOLS[protocol].path]


@pytest.mark.parametrize("protocol", ["vllm_classify", "vllm_pooling"])
def test_an_activation_is_always_refused(protocol: str, folders: dict[str, Path]) -> None:
    _, server = asked(Scoring(folders["classification"]), folders["classification"], protocol, request_of(protocol))
    assert [call.fields["use_activation"] for call in server.calls] == [False]


OTHER_BODIES = [{}, {"data": []}, {"choices": [{"logprobs": None}]}, {"scores": [[None]]}, {"embedding": ["high"]}]


@pytest.mark.parametrize("protocol", OF_WHOLE_TEXTS)
@pytest.mark.parametrize("body", OTHER_BODIES, ids=json.dumps)
def test_a_body_of_another_schema_is_an_error_and_never_a_score(
    protocol: str, body: Any, folders: dict[str, Path]
) -> None:
    folder = folders[PROTOCOLS[protocol].capability]
    with pytest.raises(EngineError, match=f"the answer is not that of {protocol}"):
        asked(lambda _: Reply(body=json.dumps(body).encode()), folder, protocol, request_of(protocol))


@pytest.mark.parametrize("protocol", [name for name in OF_WHOLE_TEXTS if PROTOCOLS[name].encoded])
@pytest.mark.parametrize(
    ("fault", "change", "what_to_do"),
    [("truncation", -3, "turn off its truncation"), ("doubled begin token", 1, "turn off the begin token")],
)
def test_a_server_that_reads_other_tokens_than_were_sent_gives_no_score(
    fault: Fault, change: int, what_to_do: str, protocol: str, folders: dict[str, Path]
) -> None:
    folder, request = folders[PROTOCOLS[protocol].capability], request_of(protocol)
    found, _ = asked(Scoring(folder), folder, protocol, request)
    sent = found.usage.prompt_tokens
    message = f"{sent} tokens were sent to {protocol}, and the server read {sent + change} .*{what_to_do}"
    with pytest.raises(EngineError, match=message):
        asked(Scoring(folder, fault, keeps=sent - 3), folder, protocol, request)


def test_a_server_that_does_not_count_tokens_comes_with_a_warning(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = folders["classification"]

    def uncounted(call: Call) -> Reply:
        body = json.loads(Scoring(folder)(call).body)
        del body["meta_info"]["prompt_tokens"]
        return Reply(body=json.dumps(body).encode())

    with caplog.at_level("WARNING", logger="fathom.engines.guards"):
        found, _ = asked(uncounted, folder, "sglang_classify", request_of("sglang_classify"))
    assert found.logits
    assert ["reports no number of prompt tokens" in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("protocol", sorted(ONE_TOKEN))
def test_protocols_for_labels_refuse_longer_answers(protocol: str, folders: dict[str, Path]) -> None:
    folder = folders["likelihood"]
    with pytest.raises(EngineError, match="this protocol scores one"):
        asked(Scoring(folder), folder, protocol, LikelihoodRequest(MESSAGES, "two words"))  # type: ignore[arg-type]


def test_what_a_protocol_does_not_give_is_refused_before_any_call(folders: dict[str, Path]) -> None:
    for protocol, request in (("echo", request_of("vllm_classify")), ("vllm_classify", request_of("echo"))):
        with pytest.raises(FathomError, match="needs an engine with"):
            asked(lambda _: Reply(500), folders["likelihood"], protocol, request)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_the_endogenous_reward_is_refused_before_any_call(
    more: list[str], folders: dict[str, Path], tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "a question", "chosen": "an answer", "rejected": "no"}) + "\n")
    engine = ["--engine", "scores", "--base-url", "http://localhost:1", "--engine-option", "protocol=vllm_logprobs"]
    engine += ["--engine-option", f"tokenizer={folders['likelihood']}"]
    command = ["judge", str(pairs), "--judge", "endogenous", "--model", "m", *engine, *more]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, FathomError), result.output
    assert "the judge EndogenousReward needs an engine with soft_values;" in str(result.exception)
    assert "local causal language models compute soft values" in str(result.exception)


def test_a_failed_call_is_retried_and_a_refusal_is_not(folders: dict[str, Path]) -> None:
    folder = folders["classification"]
    scoring = Scoring(folder)

    async def run() -> Answer:
        async with serving(lambda call: Reply(503) if call.turn == 0 else scoring(call)) as server:
            engine = ReadingServer("m", base_url=server.url, first_backoff=0.01)
            try:
                return await answer(engine, request_of("vllm_classify"))
            finally:
                await engine.close()

    assert asyncio.run(run()) is not None
    with pytest.raises(EngineError, match="HTTP 400: too long"):
        asked(
            lambda _: Reply(400, b'{"error": {"message": "too long"}}'),
            folder,
            "vllm_classify",
            request_of("vllm_classify"),
        )


def test_the_engine_is_found_by_its_name_and_checks_its_options() -> None:
    engine = open("scores", "m", base_url="http://localhost:1", protocol="vllm_pooling")
    assert engine.provides == {"classification"}
    assert ":vllm_pooling:m:" in engine.identity
    with pytest.raises(FathomError, match="protocol='tgi': expected one of echo, vllm_logprobs"):
        open("scores", "m", base_url="http://localhost:1", protocol="tgi")
    with pytest.raises(FathomError, match="takes the options of the engine 'openai'"):
        open("scores", "m", base_url="http://localhost:1", speed=1)


def test_a_likelihood_reward_is_judged_through_a_server(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, pairs = folders["likelihood"], tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "a question", "chosen": "an answer", "rejected": "no"}) + "\n")
    local = CliRunner().invoke(app, ["judge", str(pairs), "--judge", "forward", "--model", str(folder)])

    async def run() -> Any:
        async with serving(Scoring(folder)) as server:
            engine = ["--engine", "scores", "--base-url", server.url, "--engine-option", "protocol=vllm_logprobs"]
            command = ["judge", str(pairs), "--judge", "forward", "--model", "m", *engine]
            command += ["--engine-option", f"tokenizer={folder}"]
            return await asyncio.to_thread(lambda: CliRunner().invoke(app, command, catch_exceptions=False))

    served = asyncio.run(run())
    assert (local.exit_code, served.exit_code) == (0, 0)
    scores = [json.loads(result.stdout)["scores"] for result in (local, served)]
    assert scores[1] == pytest.approx(scores[0], abs=TOLERANCE)
