"""A reward server on a real socket, in the event loop of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from fathom import EngineSettings, JudgeSettings, JudgingSettings, RewardSettings, ServeSettings, VotingSettings
from fathom.engines import Engine
from fathom.serve.app import application
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


def warms_up(prompt: str) -> bool:
    """Whether a call is the one that the server makes at its start."""
    return str(WARM_UP.prompt) in prompt or QUESTION in prompt
