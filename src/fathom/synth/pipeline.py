"""From comparisons to what a teacher's answers about each of them come to. The steps are in `steps` and `merging`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

from fathom.engines import Completion, Engine, Request, Sampling
from fathom.errors import FathomError
from fathom.rationale import Rationale, Status, render
from fathom.records import Comparison, Domain
from fathom.synth import merging
from fathom.synth.steps import Stage, Teacher, Unreadable
from fathom.verdict import Usage, Vote

Arm = Literal["mix", "breadth", "depth", "vanilla"]
Structure = Literal["breadth", "depth", "vanilla"]

FITTING: Mapping[Domain, Structure] = {"preference": "breadth", "correctness": "depth"}
"""The structure that the mix arm gives to a comparison of each domain."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to synthesise, and how."""

    arms: tuple[Arm, ...] = ("mix",)
    """Which training sets to make; they share the teacher's samples."""
    samples: int = 2
    """Vanilla rationales a comparison."""
    keep: int = 10
    """Most units of a breadth rationale."""
    standardise: Literal["auto", "llm"] = "auto"
    """`auto` reads the units out of the text and asks the teacher only where there are none."""
    merge: Literal["similarity", "llm"] = "similarity"
    """Who joins principles of the same meaning; those that depth chooses from are always joined by similarity."""
    filter: Literal["none", "consistent"] = "none"
    """`consistent` keeps only rationales whose verdict is the label."""
    domain: Domain | None = None
    """The domain of comparisons that name none."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8, max_tokens=4096))
    concurrency: int = 64
    """Most requests in flight, and most comparisons in work."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.arms) - set(get_args(Arm)))
        if unknown or not self.arms:
            raise FathomError(f"arms must be some of {', '.join(get_args(Arm))}; got {', '.join(unknown) or 'none'}")
        for name in ("samples", "keep", "concurrency"):
            if getattr(self, name) < 1:
                raise FathomError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text that led to no rationale: one `sample` of the teacher, or the whole `structure` of a comparison."""

    id: str
    stage: str
    reason: str
    text: str
    sample: int | None = None
    structure: Structure | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """All that came of one comparison."""

    comparison: Comparison
    votes: tuple[Vote, ...]
    standardised: tuple[Rationale, ...]
    rationales: Mapping[Structure, Rationale]
    rejected: tuple[Rejected, ...]
    usage: Mapping[Stage, Usage]

    @property
    def tokens(self) -> int:
        """Tokens read and written by the teacher, also those that a journal already held."""
        return sum(usage.prompt_tokens + usage.completion_tokens for usage in self.usage.values())


def ready(comparisons: Iterable[Comparison], settings: Settings) -> list[Comparison]:
    """The comparisons, with the settings' domain where they name none. Raises FathomError where one cannot be used."""
    filled = [c if c.domain else c.model_copy(update={"domain": settings.domain}) for c in comparisons]
    for comparison in filled:
        if len(comparison.responses) != 2:
            raise FathomError(
                f"comparison {comparison.id} has {len(comparison.responses)} responses; synthesis takes pairs"
            )
        if comparison.domain is None and "mix" in settings.arms:
            raise FathomError(
                f"comparison {comparison.id} has no domain, and the mix arm needs one (preference or correctness): "
                "give all of them one with --domain, or name the column that holds it with --map domain=COLUMN"
            )
    return filled


def structure(arm: Arm, comparison: Comparison) -> Structure:
    """The structure of rationale that an arm trains on for this comparison."""
    if arm != "mix":
        return arm
    assert comparison.domain is not None
    return FITTING[comparison.domain]


async def each(comparisons: Sequence[Comparison], engine: Engine, settings: Settings) -> AsyncIterator[Made]:
    """What comes of each comparison, in their order."""
    bounded = _Bounded(engine, asyncio.Semaphore(settings.concurrency))
    pending: list[asyncio.Task[Made]] = []
    try:
        for comparison in comparisons:
            pending.append(asyncio.ensure_future(_make(comparison, bounded, settings)))
            if len(pending) >= settings.concurrency:
                yield await pending.pop(0)
        while pending:
            yield await pending.pop(0)
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


@dataclass(frozen=True)
class _Bounded:
    """An engine with a bound on its requests in flight."""

    engine: Engine
    semaphore: asyncio.Semaphore

    @property
    def identity(self) -> str:
        return self.engine.identity

    async def complete(self, request: Request) -> Completion:
        async with self.semaphore:
            return await self.engine.complete(request)


# One comparison -------------------------------------------------------------------------------------------------------


async def _make(comparison: Comparison, engine: Engine, settings: Settings) -> Made:
    teacher = Teacher(engine, settings.sampling)
    reject = partial(Rejected, comparison.id)
    votes = await asyncio.gather(*(teacher.sample(comparison, sample) for sample in range(settings.samples)))
    read = await asyncio.gather(
        *(
            _attempt(_standardised(teacher, vote, sample, settings), partial(reject, sample=sample))
            for sample, vote in enumerate(votes)
        )
    )
    standardised = tuple(rationale for rationale in read if isinstance(rationale, Rationale))
    wanted = sorted({structure(arm, comparison) for arm in settings.arms})
    written = await asyncio.gather(
        *(
            _attempt(_WRITERS[name](teacher, comparison, standardised, settings), partial(reject, structure=name))
            for name in wanted
        )
    )
    return Made(
        comparison,
        tuple(votes),
        standardised,
        {name: made for name, made in zip(wanted, written, strict=True) if isinstance(made, Rationale)},
        tuple(outcome for outcome in (*read, *written) if isinstance(outcome, Rejected)),
        teacher.usage,
    )


async def _attempt(step: Awaitable[Rationale], reject: Callable[[str, str, str], Rejected]) -> Rationale | Rejected:
    try:
        return await step
    except Unreadable as error:
        return reject(error.stage, error.reason, error.text)


async def _standardised(teacher: Teacher, vote: Vote, sample: int, settings: Settings) -> Rationale:
    if vote.status in _UNUSABLE:
        raise Unreadable("sample", vote.error or f"the text is {vote.status}", vote.text)
    if settings.standardise == "auto" and vote.rationale and vote.rationale.units:
        return vote.rationale
    return await teacher.standardise(vote, sample)


_UNUSABLE = {Status.FAILED, Status.REFUSED, Status.TRUNCATED}
"""Texts that are not the teacher's whole judgement. One that only lacks a readable verdict still gives its units."""


async def _vanilla(_: Teacher, __: Comparison, rationales: Sequence[Rationale], ___: Settings) -> Rationale:
    """The first of the teacher's rationales that ends in a verdict."""
    for rationale in rationales:
        if rationale.verdict in ("A", "B"):
            return Rationale(rationale.units, verdict=rationale.verdict)
    raise Unreadable("standardise", f"none of {len(rationales)} rationales ends in a verdict for a response")


async def _breadth(teacher: Teacher, _: Comparison, rationales: Sequence[Rationale], settings: Settings) -> Rationale:
    units = _pool(rationales)
    if settings.merge == "llm":
        units = await teacher.merge(merging.sources(rationales))
    rationale = merging.breadth(units, rationales, keep=settings.keep)
    if rationale.verdict is None:
        raise Unreadable("merge", "sub-verdicts and verdicts are balanced", render(rationale))
    return rationale


async def _depth(teacher: Teacher, comparison: Comparison, rationales: Sequence[Rationale], _: Settings) -> Rationale:
    pool = [merged.unit for merged in _pool(rationales)]
    units = await teacher.choose(comparison, pool)
    return await teacher.refine(comparison, units, await teacher.solve(comparison))


def _pool(rationales: Sequence[Rationale]) -> list[merging.Merged]:
    if not rationales:
        raise Unreadable("standardise", "no rationale to build on")
    return [merging.merged(group) for group in merging.grouped(merging.sources(rationales))]


_WRITERS: Mapping[Structure, Callable[[Teacher, Comparison, Sequence[Rationale], Settings], Awaitable[Rationale]]] = {
    "vanilla": _vanilla,
    "breadth": _breadth,
    "depth": _depth,
}
