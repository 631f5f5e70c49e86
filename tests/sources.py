"""Sources of rewards for adapters: they record their samples, and score those whose response says a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fathom.serve.messages import RewardAnswer, Tokens


def answer(response: str) -> RewardAnswer:
    """The number that the response ends with, or no reward."""
    word = response.split()[-1]
    known = word.removeprefix("-").replace(".", "").isdigit()
    return RewardAnswer(
        id=None,
        status="ok" if known else "missing",  # type: ignore[arg-type]
        error=None if known else "no number",
        votes=2,
        votes_read=2 if known else 0,
        cached=False,
        tokens=Tokens(prompt=1, completion=1),
        reward=float(word) if known else None,
        group=1,
        partial="partial" in response,
    )


class Recorded:
    """Has the method of `RewardClient` and `LocalRewardClient`."""

    def __init__(self) -> None:
        self.samples: list[dict[str, Any]] = []
        self.group_sizes: list[int | None] = []

    def rewards(self, samples: Sequence[dict[str, Any]], *, group_size: int | None = None) -> list[RewardAnswer]:
        self.samples += samples
        self.group_sizes.append(group_size)
        return [answer(each["response"]) for each in samples]


class AsyncRecorded:
    """Has the method of `AsyncRewardClient`."""

    def __init__(self) -> None:
        self.recorded = Recorded()

    async def rewards(self, samples: Sequence[dict[str, Any]], *, group_size: int | None = None) -> list[RewardAnswer]:
        return self.recorded.rewards(samples, group_size=group_size)
