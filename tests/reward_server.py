"""A reward server on a real socket, in the event loop of a test or as a process, and requests for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from fathom import (
    EngineSettings,
    JudgeSettings,
    JudgingSettings,
    RewardSettings,
    ScriptedEngine,
    ServeSettings,
    VotingSettings,
)
from fathom.engines import Engine
from fathom.serve.app import Direct, application
from fathom.serve.running import DrainingServer, address_of, listening
from fathom.serve.self_test import QUESTION, WARM_UP
from fathom.serve.service import Service, open_session


@dataclass
class Running:
    url: str
    service: Service
    server: DrainingServer
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
        """The status, the decoded body and the headers of an answer."""
        async with self.http.post(self.url + path, json=body, headers=headers) as response:
            return response.status, await response.json(), response.headers

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(self.url + path, headers=headers) as response:
            return response.status, await response.text()


@asynccontextmanager
async def reward_server(
    engine: Engine | None,
    judge: str = "mix",
    *,
    rewards: RewardSettings | None = None,
    tokens: tuple[bytes, ...] = (),
    engine_settings: EngineSettings | None = None,
    swap: bool = True,
    **serving: Any,
) -> AsyncIterator[Running]:
    settings = JudgingSettings(
        judge=JudgeSettings(judge=judge),
        engine=engine_settings or EngineSettings(model="judge-7b"),
        voting=VotingSettings(swap=swap),
    )
    served = ServeSettings(port=0, **serving)
    service = Service(open_session(settings, engine), rewards or RewardSettings(), served)
    listener = listening(served)
    server = DrainingServer(application(service, tokens))
    running = asyncio.create_task(server.run_until_drained(listener))
    try:
        async with aiohttp.ClientSession() as http:
            while not (server.started and service.health.ready):
                await asyncio.sleep(0.005)
            yield Running(address_of(served, listener), service, server, http)
    finally:
        server.should_exit = True
        await running


@contextmanager
def process(url: str, *options: str, log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`fathom serve` as a process, and its address."""
    command = [sys.executable, "-m", "fathom", "serve", "--judge", "prometheus", "--model", "judge-7b"]
    command += ["--base-url", url, "--port", "0", *options]
    with log.open("w") as sink:
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, text=True, env=dict(os.environ))
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            assert line.startswith("serving on "), log.read_text()
            yield started, line.split()[-1]
        finally:
            started.kill()
            started.wait()


def posts() -> list[str]:
    """All paths with a JSON body, from the application's routes: also those that the server's description omits."""
    settings = JudgingSettings(engine=EngineSettings(model="judge-7b"))
    service = Service(open_session(settings, ScriptedEngine("")), RewardSettings(), ServeSettings())
    direct = application(service).app
    assert isinstance(direct, Direct)
    return sorted(direct.routes)


def warms_up(prompt: str) -> bool:
    """Whether a call is the one that the server makes at its start."""
    return str(WARM_UP.prompt) in prompt or QUESTION in prompt


def bodies(prompt: str, response: str) -> dict[str, Any]:
    """A body for each path that judges, with one response to one prompt."""
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": response}]}
    text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n{response}<|im_end|>\n"
    return {
        "/v1/rewards": {"samples": [{"prompt": prompt, "response": response}]},
        "/v1/judgments": {"comparisons": [{"prompt": prompt, "responses": [response]}]},
        "/get_reward": {"query": [prompt + response], "prompts": [prompt]},
        "/remote_rm": {"prompt": prompt, "response": response, "label": None},
        "/verify": {"responses_create_params": {"input": prompt}, "response": {"output": [message]}},
        "/compare": {"conversation_history": turns[:1], "response_objs": [{"output": [message]}]},
        "/classify": {"messages": turns},
        "/vllm/classify": {"input": text},
        "/vllm/pooling": {"messages": turns},
        "/vllm/score": {"queries": prompt, "documents": [response]},
        "/vllm/rerank": {"query": prompt, "documents": [response]},
        "/sglang/classify": {"text": text},
        "/sglang/v1/score": {"query": prompt, "items": [response]},
        "/v1/chat/completions": {"messages": turns},
    }
