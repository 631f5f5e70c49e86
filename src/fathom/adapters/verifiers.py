"""A reward of verifiers, which prime-rl trains on.

    # judged.py
    reward = VerifiersReward(fathom.AsyncRewardClient("http://127.0.0.1:8090"), reference="answer")

    class MyTask(vf.Task):
        @vf.reward
        async def judged(self, trace: vf.Trace) -> float:
            return await reward(self.data, trace)

Without a class of one's own, a configuration names it: `taskset.task.rewards.judged.fn = "judged.py:reward"`.
A response that could not be scored raises FathomError: verifiers records the error in the trace, and such traces are
not trained on. Contract: verifiers/v1/task.py, version 0.4.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fathom.adapters.samples import AsyncRewardSource, check_source, sample
from fathom.adapters.unscored import Unscored, checked, number
from fathom.errors import FathomError


@dataclass(eq=False)
class VerifiersReward:
    """A function of the data of a task and the trace of a rollout; the last reply is judged.

    `reference` names a field of the task's data with a reference answer. `group_size` is the number of rollouts per
    task, for judges of pairs and lists. A call raises FathomError if the task has no prompt or no such field, if the
    source cannot be reached, and if the response could not be scored and `unscored` is no number.
    """

    source: AsyncRewardSource
    reference: str | None = None
    group_size: int | None = None
    unscored: Unscored = "exclude"

    def __post_init__(self) -> None:
        check_source(self.source, "verifiers", asynchronous=True)
        self.unscored = checked(self.unscored, "verifiers", excludes=True)

    async def __call__(self, task: Any, trace: Any) -> float:
        """The reward of a trace."""
        asked = sample(_prompt(task), trace.last_reply, self._reference(task))
        [answer] = await self.source.rewards([asked], group_size=self.group_size)
        return number(answer, self.unscored)

    def _reference(self, task: Any) -> Any:
        if self.reference is None:
            return None
        if not hasattr(task, self.reference):
            raise FathomError(
                f"the data of the task has no field {self.reference!r}; set reference to one that it has, or omit it"
            )
        return getattr(task, self.reference)


def _prompt(task: Any) -> Any:
    """The prompt of a task, with its system prompt."""
    if not task.prompt:
        raise FathomError(f"the task has no prompt: got {task.prompt!r}; expected a text or messages in its data")
    system = [{"role": "system", "content": task.system_prompt}] if task.system_prompt else []
    if isinstance(task.prompt, str):
        return [*system, {"role": "user", "content": task.prompt}] if system else task.prompt
    return [*system, *(message.model_dump(exclude_none=True) for message in task.prompt)]
