"""Rewards without a server: the same calls and answers as those of `RewardClient`, judged in this process.

settings = JudgingSettings(engine=EngineSettings(model="judge-7b", base_url="http://localhost:8000/v1"))
with LocalRewardClient(settings) as client:
    client.rewards([{"prompt": "2 + 2?", "response": "4"}, {"prompt": "2 + 2?", "response": "5"}])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import ValidationError

from fathom.errors import FathomError
from fathom.serve.identity import RewardIdentity
from fathom.serve.messages import RewardAnswer, RewardsBody
from fathom.serve.service import Refused, Service, Unavailable, open_session
from fathom.serve.threads import LoopThread
from fathom.settings import JudgingSettings, RewardSettings, ServeSettings


class LocalRewardClient:
    """Judges with the engine of the settings, which is opened with the first call.

    It can be pickled; the copy opens its own engine. Raises FathomError for settings that do not fit each other.
    """

    def __init__(self, settings: JudgingSettings, rewards: RewardSettings | None = None, *, deadline: float = 600):
        self.settings = settings
        self.reward_settings = rewards or RewardSettings()
        self.deadline = deadline
        self._service: Service | None = None
        self._thread = LoopThread()

    def rewards(self, samples: Sequence[Mapping[str, Any]], *, group_size: int | None = None) -> list[RewardAnswer]:
        """The reward of each sample, as `RewardClient.rewards` returns it. Groups consist of the given samples only."""
        try:
            body = RewardsBody.model_validate({"samples": list(samples), "group_size": group_size})
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            raise FathomError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
        return self._thread.run(self._rewards(body))

    async def _rewards(self, body: RewardsBody) -> list[RewardAnswer]:
        service = self._opened()
        try:
            made = await service.reward([each.sample() for each in body.samples], self.deadline)
        except Unavailable as error:
            raise FathomError(f"the engine makes no calls: {error}") from None
        except Refused as error:
            raise FathomError(f"samples[{error.index}]: {error}") from None
        return [RewardAnswer.of(each.id, one) for each, one in zip(body.samples, made, strict=True)]

    def identity(self) -> RewardIdentity:
        """The identity of the reward."""
        return self._opened().identity

    def _opened(self) -> Service:
        if self._service is None:
            # No window: there are no other clients whose samples to wait for.
            serving = ServeSettings(window_ms=0, deadline=self.deadline, max_responses=1024)
            self._service = Service(open_session(self.settings), self.reward_settings, serving)
        return self._service

    def close(self) -> None:
        """Close the engine. A later call opens it again."""
        if self._service is not None:
            self._thread.run(self._service.close())
            self._service = None
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.settings, self.reward_settings, self.deadline)


def _made(settings: JudgingSettings, rewards: RewardSettings, deadline: float) -> LocalRewardClient:
    return LocalRewardClient(settings, rewards, deadline=deadline)
