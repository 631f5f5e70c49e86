"""Lets a task of verifiers' own score traces: by a decorated method, and by a function that a configuration names.

python verifiers_client.py URL
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from stubs import stub

stub("prime_sandboxes")

import verifiers.v1 as vf
from verifiers.v1.configs.task import RewardFunctionConfig, TaskConfig
from verifiers.v1.trace import AgentInfo, TraceTask

from fathom import AsyncRewardClient
from fathom.adapters.verifiers import VerifiersReward

URL = sys.argv[1]
reward = VerifiersReward(AsyncRewardClient(URL), reference="answer")
JUDGED = """
from fathom import AsyncRewardClient
from fathom.adapters.verifiers import VerifiersReward

reward = VerifiersReward(AsyncRewardClient({url!r}), reference="answer", unscored=-1)
"""


class SumData(vf.TaskData):
    answer: str


class PlainTask(vf.Task[SumData, vf.State, TaskConfig]):
    """Has no reward of its own."""


class JudgedTask(PlainTask):
    @vf.reward(weight=0.5)
    async def judged(self, trace: vf.Trace) -> float:
        return await reward(self.data, trace)


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


async def main() -> None:
    data = SumData(prompt="2 + 2?", answer="4")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "judged.py"
        file.write_text(JUDGED.format(url=URL))
        named = RewardFunctionConfig(fn=f"{file}:reward", weight=2.0)
        tasks = {"method": JudgedTask(data), "named": PlainTask(data, TaskConfig(rewards={"judged": named}))}
        results = {
            f"{name} {word}": await scored(task, word) for name, task in tasks.items() for word in ("4", "mumble")
        }
    print(json.dumps(results))  # noqa: T201


asyncio.run(main())
