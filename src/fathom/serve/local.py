"""Rewards without a server: the same calls and answers as those of `RewardClient`, judged in this process.

    settings = JudgingSettings(engine=EngineSettings(model="judge-7b", base_url="http://localhost:8000/v1"))
    with LocalRewardClient(settings) as client:
        client.rewards([{"prompt": "2 + 2?", "response": "4"}, {"prompt": "2 + 2?", "response": "5"}])

    async with AsyncLocalRewardClient(settings) as client:
        await client.rewards(samples)

Both judge on an event loop in a thread of their own, so they can be called from any loop, and never block it.
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

Samples = Sequence[Mapping[str, Any]]


class _Local:
    """The judging of both clients. It can be pickled; the copy opens its own engine."""

    def __init__(self, settings: JudgingSettings, rewards: RewardSettings | None, deadline: float, window_ms: float):
        self.settings = settings
        self.reward_settings = rewards or RewardSettings()
        self.deadline = deadline
        self.window_ms = window_ms
        self._service: Service | None = None
        self._thread = LoopThread()

    async def _judged(self, body: RewardsBody) -> list[RewardAnswer]:
        service = self._opened()
        samples = [each.sample() for each in body.samples]
        size = body.group_size if self.window_ms else None  # nobody else's samples would complete the group
        try:
            made = await service.reward(samples, self.deadline, size=size)
        except Unavailable as error:
            raise FathomError(f"the engine makes no calls: {error}") from None
        except Refused as error:
            raise FathomError(f"samples[{error.index}]: {error}") from None
        return [RewardAnswer.of(each.id, one) for each, one in zip(body.samples, made, strict=True)]

    async def _identity(self) -> RewardIdentity:
        return self._opened().identity

    def _opened(self) -> Service:
        if self._service is None:
            serving = ServeSettings(window_ms=self.window_ms, deadline=self.deadline, max_responses=1024)
            self._service = Service(open_session(self.settings), self.reward_settings, serving)
        return self._service

    async def _closed(self) -> None:
        if self._service is not None:
            service, self._service = self._service, None
            await service.close()

    def __getstate__(self) -> tuple[Any, ...]:
        return self.settings, self.reward_settings, self.deadline, self.window_ms

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _Local.__init__(self, *state)


class LocalRewardClient(_Local):
    """Judges with the engine of the settings, which is opened with the first call.

    It can be pickled; the copy opens its own engine. Raises FathomError for settings that do not fit each other.
    """

    def __init__(self, settings: JudgingSettings, rewards: RewardSettings | None = None, *, deadline: float = 600):
        # No window: there are no other clients whose samples to wait for.
        super().__init__(settings, rewards, deadline, window_ms=0)

    def rewards(self, samples: Samples, *, group_size: int | None = None) -> list[RewardAnswer]:
        """The reward of each sample, as `RewardClient.rewards` returns it. Groups consist of the given samples only."""
        return self._thread.run(self._judged(_body(samples, group_size)))

    def identity(self) -> RewardIdentity:
        """The identity of the reward."""
        return self._thread.run(self._identity())

    def close(self) -> None:
        """Close the engine. A later call opens it again."""
        self._thread.run(self._closed())
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncLocalRewardClient(_Local):
    """As `LocalRewardClient`, for asynchronous code such as the rewards of slime and verifiers.

    These trainers send each response alone. For judges of pairs and lists, responses of concurrent calls therefore form
    groups as in the server: of `group_size`, or incomplete after `window_ms`. A cancelled call cancels its judgment,
    unless other calls wait for the same group.
    """

    def __init__(
        self,
        settings: JudgingSettings,
        rewards: RewardSettings | None = None,
        *,
        deadline: float = 600,
        window_ms: float = ServeSettings().window_ms,
    ) -> None:
        super().__init__(settings, rewards, deadline, window_ms)

    async def rewards(self, samples: Samples, *, group_size: int | None = None) -> list[RewardAnswer]:
        """The reward of each sample, as `AsyncRewardClient.rewards` returns it."""
        return await self._thread.awaited(self._judged(_body(samples, group_size)))

    async def identity(self) -> RewardIdentity:
        """The identity of the reward."""
        return await self._thread.awaited(self._identity())

    async def close(self) -> None:
        """Close the engine. A later call opens it again."""
        await self._thread.awaited(self._closed())
        self._thread.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _body(samples: Samples, group_size: int | None) -> RewardsBody:
    try:
        return RewardsBody.model_validate({"samples": list(samples), "group_size": group_size})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise FathomError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
