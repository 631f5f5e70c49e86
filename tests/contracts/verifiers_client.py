"""Lets tasks of verifiers score traces by the program of docs/trainers.md: by its class, and named by a configuration.

python verifiers_client.py URL
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any

from page import judged, program
from stubs import stub

stub("prime_sandboxes")

import verifiers.v1 as vf
from verifiers.v1.configs.task import RewardFunctionConfig, TaskConfig
from verifiers.v1.trace import AgentInfo, TraceTask


class SumData(vf.TaskData):
    answer: str


class PlainTask(vf.Task[SumData, vf.State, TaskConfig]):
    """Has no reward of its own."""


async def scored(task: Any, word: str) -> dict[str, Any]:
    """Score a trace as a rollout does: an error of the score is recorded in the trace."""
    trace = trace_of(task, word)
    try:
        await task.score(trace)
    except Exception as error:
        trace.record_error(error)
    rewards = {name: each and [each.score, each.weight] for name, each in trace.rewards.items()}
    return {"rewards": rewards, "errors": [f"{each.type}: {each.message}" for each in trace.errors]}


def trace_of(task: Any, word: str) -> vf.Trace:
    recorded = TraceTask(type=type(task).__name__, data=task.data)
    return vf.Trace(task=recorded, agent=AgentInfo(config=vf.AgentConfig()), root_reply=word)


async def main(url: str) -> None:
    data = SumData(prompt="2 + 2?", answer="4")
    with judged(program("verifiers and prime-rl", url)) as file:
        named = RewardFunctionConfig(fn=f"{file}:reward", weight=2.0)
        module = importlib.import_module("judged")
        tasks = {"method": module.MyTask(data), "named": PlainTask(data, TaskConfig(rewards={"judged": named}))}
        results = {
            f"{name} {word}": await scored(task, word) for name, task in tasks.items() for word in ("4", "mumble")
        }
    print(json.dumps(results))  # noqa: T201


asyncio.run(main(sys.argv[1]))
