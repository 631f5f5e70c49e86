"""The server's judging, independent of protocols: from comparisons to verdicts, rankings and rewards.

    service = Service(session, RewardSettings(), ServeSettings())
    [attempt] = await service.judge([comparison], seconds=60)
    attempt.value, attempt.error                      # a Verdict, or None and the reason

A judgment that fails or exceeds its deadline raises no exception: its `Attempt` has an error and no value. `Refused`
names an item that the judge cannot judge, and `Unavailable` means that the engine makes no calls at present.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import sleep
from typing import Generic, NamedTuple, TypeVar

from fathom.data.records import Comparison, Message
from fathom.engines import Engine, MissingLogprobsError, RunStoppedError
from fathom.engines.journal import JournalError, SQLiteJournal
from fathom.engines.metering import SpentError
from fathom.engines.recent import RecentCompletions
from fathom.errors import FathomError
from fathom.judges import Verdict
from fathom.judging.rewards import Reward, check_group, check_reward, reward
from fathom.judging.session import Session
from fathom.ranking import Ranking, check, rank
from fathom.ranking.reducers import REDUCERS
from fathom.ranking.schedules import SCHEDULES
from fathom.rationale import Status
from fathom.serve.health import Health, HourlyCap
from fathom.serve.identity import identify
from fathom.serve.self_test import is_verifier, self_test
from fathom.serve.window import Window
from fathom.settings import JudgingSettings, RewardSettings, ServeSettings

Value = TypeVar("Value")

FINAL = (SpentError, MissingLogprobsError)
"""Errors after which the engine makes no more calls until the server is restarted with other settings."""


class Unavailable(Exception):  # noqa: N818 - the name of HTTP status 503
    """The engine makes no calls at present."""


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault of the server
    """The judge cannot judge one item of a request, such as a comparison without the reference that it needs."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


class Sample(NamedTuple):
    """One response of a policy, to be rewarded."""

    prompt: str | tuple[Message, ...]
    response: str
    reference: str | None = None
    baseline: str | None = None
    """A response to compare this one with, for judges of pairs and lists."""
    group: str | None = None
    """The name of the group of responses that are judged together. Default: all responses to the prompt."""
    steps: tuple[str, ...] | None = None
    """The steps of the response, for judges that score steps."""
    step_types: tuple[str | None, ...] | None = None
    """The type of each step; None for one whose type is unknown."""

    @property
    def prompt_text(self) -> str:
        """All texts of the prompt."""
        return self.prompt if isinstance(self.prompt, str) else "\n".join(turn.content for turn in self.prompt)

    @property
    def group_key(self) -> Hashable:
        """The values that all samples of a group share."""
        return self.group, self.prompt, self.reference

    def comparison(self) -> Comparison:
        """The sample alone, without its baseline."""
        return _comparison_of((self,))


@dataclass(frozen=True, slots=True)
class Attempt(Generic[Value]):
    """The result of a judgment, or the error that prevented it."""

    value: Value | None
    error: str | None = None
    cached: bool = False
    """Whether no call was made for it: all completions were stored, or requested by someone else at the same time."""
    refused: bool = False
    """Whether the judge cannot judge this comparison."""


@dataclass(frozen=True, slots=True)
class Rewarded:
    """A reward, and how it was computed."""

    reward: Reward
    cached: bool
    size: int = 1
    """How many responses were judged together."""
    partial: bool = False
    """Whether the group was judged before it was complete."""


_CALLS: ContextVar[list[int] | None] = ContextVar("calls made for the current judgment", default=None)


def _note_call() -> None:
    """Note for the current judgment that a call was made."""
    made = _CALLS.get()
    if made is not None:
        made.append(1)


class Service:
    """Judges with one session. Raises FathomError for settings that do not fit the judge."""

    def __init__(self, session: Session, rewards: RewardSettings, serving: ServeSettings) -> None:
        self.session = session
        self.rewards = rewards
        self.serving = serving
        self.model = session.reward_model
        check_reward(self.model, rewards)
        session.cached.cancel_abandoned = True
        session.cached.on_miss = _note_call
        session.metered.counts_prefixes = False
        store = session.cached.journal
        if isinstance(store, SQLiteJournal | RecentCompletions):
            megabytes, hours = serving.cache_mb, serving.cache_hours
            store.limit(None if megabytes is None else megabytes * 2**20, None if hours is None else hours * 3600)
        self.identity = identify(session, rewards)
        self.health = Health(serving.breaker_share, serving.breaker_seconds, caps=_caps(session, serving))
        self.window = Window[Sample, Rewarded](serving.window_ms / 1000, serving.max_responses, self._judge_group)
        self._reopening: asyncio.Task[None] | None = None

    # Checks -----------------------------------------------------------------------------------------------------------

    def check(self, comparison: Comparison, *, to_rank: bool = False) -> None:
        """Raise FathomError for a comparison whose number of responses does not fit the judge."""
        judge = self.session.base_judge
        if to_rank:
            check(comparison)
        if judge.arity == "pointwise":
            comparison = comparison.subset((0,))
        elif judge.arity == "pairwise" and to_rank:
            comparison = comparison.subset((0, 1))
        judge.check(comparison)

    # Judging ----------------------------------------------------------------------------------------------------------

    async def judge(self, comparisons: Sequence[Comparison], seconds: float) -> list[Attempt[Verdict]]:
        """A verdict for each comparison, in order. Raises Unavailable and Refused."""
        return await self._attempts([partial(self.model, each) for each in comparisons], seconds, _has_verdict)

    async def rank(self, comparisons: Sequence[Comparison], seconds: float) -> list[Attempt[Ranking]]:
        """A ranking of each comparison's responses, in order. Raises Unavailable and Refused."""
        settings = self.rewards
        ranked = partial(rank, schedule=SCHEDULES[settings.schedule], reduce=REDUCERS[settings.reduce], tells="votes")
        return await self._attempts([partial(ranked, self.model, each) for each in comparisons], seconds, _has_order)

    async def reward(
        self, samples: Sequence[Sample], seconds: float, *, size: int | None = None, client: str = ""
    ) -> list[Rewarded]:
        """The reward of each sample, in order.

        Judges of pairs and lists judge samples in groups, which wait for the samples of other requests of this client;
        `size` is the number of samples of a group. Raises Unavailable and Refused.
        """
        alone = self.model.arity == "pointwise"
        single = [place for place, sample in enumerate(samples) if alone or sample.baseline is not None]
        groups: dict[Hashable, list[int]] = {}
        for place in sorted({*range(len(samples))} - {*single}):
            groups.setdefault((client, samples[place].group_key), []).append(place)
        works: list[Callable[[], Awaitable[list[Rewarded]]]] = []
        works += [partial(self._alone, samples[place], seconds) for place in single]
        works += [
            partial(self._grouped, key, [samples[place] for place in places], seconds, size)
            for key, places in groups.items()
        ]
        places = [[place] for place in single] + list(groups.values())
        rewards: dict[int, Rewarded] = {}
        placed = [partial(_placed, work, where) for work, where in zip(works, places, strict=True)]
        for where, answers in zip(places, await _together(placed), strict=True):
            rewards |= zip(where, answers, strict=True)
        return [rewards[place] for place in range(len(samples))]

    async def _alone(self, sample: Sample, seconds: float) -> list[Rewarded]:
        work = partial(reward, self.model, sample.comparison(), self.rewards, baseline=sample.baseline)
        [attempt] = await self._attempts([work], seconds, _has_reward)
        return _rewarded(attempt, 1)

    async def _grouped(
        self, key: Hashable, samples: Sequence[Sample], seconds: float, size: int | None
    ) -> list[Rewarded]:
        size = size or self.serving.group_size
        try:
            async with asyncio.timeout(seconds):
                group = await self.window(key, samples, size)
        except TimeoutError:
            return [Rewarded(_failed(_late(seconds)), cached=False)] * len(samples)
        return [replace(each, size=group.size, partial=group.partial) for each in group.results]

    async def _judge_group(self, samples: Sequence[Sample]) -> list[Rewarded]:
        """The rewards of a group of samples with one prompt, one per sample."""
        group = _comparison_of(samples)
        try:
            check_group(self.model, group)
        except FathomError as error:
            window = self.serving.window_ms
            why = f"{error} within {window:g} ms" if window else str(error)
            return [Rewarded(Reward(None, Status.MISSING, why), cached=False)] * len(samples)
        work = partial(reward, self.model, group, self.rewards)
        [attempt] = await self._attempts([work], self.serving.deadline, _has_reward)
        return _rewarded(attempt, len(samples))

    async def _attempts(
        self,
        works: Sequence[Callable[[], Awaitable[Value]]],
        seconds: float,
        scored: Callable[[Value], bool],
    ) -> list[Attempt[Value]]:
        attempts = await _together([partial(self._attempt, work, seconds, scored) for work in works])
        for index, each in enumerate(attempts):
            if each.refused:
                raise Refused(index, each.error or "")
        if attempts and all(each.value is None for each in attempts) and (refusal := self.health.refusal()):
            raise Unavailable(refusal.reason)
        return attempts

    async def _attempt(
        self, work: Callable[[], Awaitable[Value]], seconds: float, scored: Callable[[Value], bool]
    ) -> Attempt[Value]:
        calls: list[int] = []
        token = _CALLS.set(calls)
        try:
            async with asyncio.timeout(seconds):
                value = await work()
        except TimeoutError:
            if seconds < self.serving.deadline:  # a client that asks for too little time says nothing about the engine
                return Attempt(None, _late(seconds))
            return self._without_value(_late(seconds))
        except RunStoppedError as error:
            self._engine_stopped(error)
            return Attempt(None, str(error))
        except JournalError as error:
            return self._without_value(str(error))
        except FathomError as error:
            # An error before the first call is caused by the comparison: it lacks a reference that the judge needs, ...
            return self._without_value(str(error)) if calls else Attempt(None, str(error), refused=True)
        finally:
            _CALLS.reset(token)
        if calls:  # a stored answer says nothing about the engine, and a client may request it many times
            self.health.record(scored=scored(value))
        return Attempt(value, cached=not calls)

    def _without_value(self, error: str) -> Attempt[Value]:
        self.health.record(scored=False)
        return Attempt(None, error)

    # The engine's state -----------------------------------------------------------------------------------------------

    def _engine_stopped(self, error: RunStoppedError) -> None:
        if isinstance(error, FINAL):
            self.health.stopped = str(error)
            return
        if self._reopening is None or self._reopening.done():
            self.health.trip(str(error))
            self._reopening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        """Reset the engine shortly before the breaker closes: after `close`, a stopped engine makes calls again."""
        await asyncio.sleep(self.serving.breaker_seconds * 0.9)
        await self.session.metered.close()

    async def warm_up(self) -> str | None:
        """Judge known comparisons, so that the first request does not wait for a model to load.

        Returns the problem, if any, in words that may be logged. With `self_test: require`, the server then refuses all
        requests to a verifier.
        """
        try:
            async with asyncio.timeout(self.serving.deadline):
                problem = await self_test(self.session.base_judge)
        except (FathomError, TimeoutError, ValueError):  # a server's error may quote its key
            problem = "the first judgment failed: check the engine's settings"
        if problem and self.serving.self_test == "require" and is_verifier(self.session.base_judge):
            self.health.stopped = "the self-test at the start failed; see the server's log"
        self.health.ready = True
        return problem

    async def close(self) -> None:
        """Close the engine and the journal."""
        if self._reopening is not None:
            self._reopening.cancel()
        await self.session.cached.close()


async def _placed(work: Callable[[], Awaitable[Value]], places: Sequence[int]) -> Value:
    """The result of `work` on the items at `places` of a request. A Refused is raised with the place in the request."""
    try:
        return await work()
    except Refused as error:
        raise Refused(places[min(error.index, len(places) - 1)], str(error)) from None


async def _together(works: Sequence[Callable[[], Awaitable[Value]]]) -> list[Value]:
    """The results of all works. The first error is raised after all have ended, so that none is left running."""
    if len(works) == 1:  # without a task, whose overhead is noticeable for fast judgments
        return [await works[0]()]
    results = await asyncio.gather(*(work() for work in works), return_exceptions=True)
    for each in results:
        if isinstance(each, BaseException):
            raise each
    return [each for each in results if not isinstance(each, BaseException)]


def open_session(settings: JudgingSettings, engine: Engine | None = None) -> Session:
    """The session of a service. `engine` replaces the engine of the settings.

    Without a journal file, recent completions are kept in a bounded amount of memory. Raises FathomError for a file
    that is no journal, also for an empty one, which SQLite would turn into a database.
    """
    file = settings.engine.journal
    if file is not None and _stays_empty(Path(file)):
        raise FathomError(
            f"{file} is empty, so it is not a journal; expected one, or a path without a file: delete it, or give "
            "another file with --journal"
        )
    return Session(settings, engine=engine, store=RecentCompletions())


def _stays_empty(path: Path) -> bool:
    """Whether a file is empty. Another server that creates its journal at this moment gets a second to do so."""
    for _ in range(20):
        if not path.is_file() or path.stat().st_size:
            return False
        sleep(0.05)
    return True


def _caps(session: Session, serving: ServeSettings) -> list[HourlyCap]:
    metered = session.metered
    caps = []
    if serving.hourly_tokens is not None:
        caps.append(HourlyCap("tokens", serving.hourly_tokens, lambda: float(metered.estimated.tokens)))
    if serving.hourly_cost is not None:
        if metered.price is None:
            raise FathomError(
                f"--hourly-cost needs a price of --model {session.settings.engine.model}; give it with --prices"
            )
        caps.append(HourlyCap("US dollars", serving.hourly_cost, lambda: metered.estimated_cost or 0.0))
    return caps


def _comparison_of(group: Sequence[Sample]) -> Comparison:
    steps, types = [sample.steps for sample in group], [sample.step_types for sample in group]
    return Comparison(
        prompt=group[0].prompt,
        responses=tuple(sample.response for sample in group),
        steps=None if None in steps else steps,
        step_types=None if None in types else types,
        reference=group[0].reference,
    )


def _late(seconds: float) -> str:
    return f"no judgment within the deadline of {seconds:g} s"


def _failed(error: str | None) -> Reward:
    return Reward(None, Status.FAILED, error)


def _rewarded(attempt: Attempt[list[Reward]], count: int) -> list[Rewarded]:
    rewards = attempt.value or [_failed(attempt.error)] * count
    return [Rewarded(each, attempt.cached) for each in rewards]


def _has_verdict(verdict: Verdict) -> bool:
    return verdict.status is Status.OK


def _has_order(ranking: Ranking) -> bool:
    return bool(ranking.order)


def _has_reward(rewards: Sequence[Reward]) -> bool:
    return any(each.value is not None for each in rewards)
