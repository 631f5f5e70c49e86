"""The synthesis pipeline: runs the steps of `steps` and `merging` for each comparison."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

from fathom.data.records import Comparison, Domain
from fathom.engines import Completion, Engine, EngineWrapper, Request, Sampling
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Vote, bounded_gather, judge_all
from fathom.rationale import Rationale, Status, render
from fathom.settings import SamplingSettings, SynthesisSettings
from fathom.synth import merging
from fathom.synth.steps import Stage, Steps, UnreadableError

Arm = Literal["mix", "breadth", "depth", "vanilla"]
Structure = Literal["breadth", "depth", "vanilla"]

STRUCTURE_FOR_DOMAIN: Mapping[Domain, Structure] = {"preference": "breadth", "correctness": "depth"}
"""The structure that the mix arm uses for each domain."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a synthesis run."""

    arms: tuple[Arm, ...] = ("mix",)
    """Training sets to write. They share the teacher's samples."""
    samples: int = 2
    """Vanilla rationales per comparison."""
    keep: int = 10
    """Maximum number of units of a breadth rationale."""
    standardise: Literal["auto", "llm"] = "auto"
    """`auto` parses the units, and calls the teacher only for texts without any."""
    merge: Literal["similarity", "llm"] = "similarity"
    """How to join principles of the same meaning. For depth they are always joined by similarity."""
    filter: Literal["none", "consistent"] = "none"
    """`consistent` keeps only rationales whose verdict is the label."""
    domain: Domain | Literal["auto"] | None = None
    """The domain of comparisons without one; `auto` means correctness with a reference answer, else preference."""
    show_reference: bool = False
    """Whether the teacher's prompts and the training prompts contain the reference answer; in the paper, none does."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8, max_tokens=4096))
    concurrency: int = 64
    """Maximum number of requests in flight, and of comparisons in progress."""

    @classmethod
    def of(cls, synthesis: SynthesisSettings, sampling: SamplingSettings) -> Settings:
        """The settings that the options of `fathom synth` describe."""
        options = synthesis.model_dump(exclude={"arms", "truncated"})
        given = Sampling(**sampling.model_dump(exclude_none=True))
        return cls(arms=tuple(dict.fromkeys(synthesis.arms)), sampling=given, **options)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.arms) - set(get_args(Arm)))
        if unknown or not self.arms:
            raise FathomError(f"arms: got {', '.join(unknown) or 'none'}, expected some of {', '.join(get_args(Arm))}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise FathomError(f"{name}: got {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        for name in ("samples", "keep", "concurrency"):
            if getattr(self, name) < 1:
                raise FathomError(f"{name}: got {getattr(self, name)}, expected at least 1")


_CHOICES = {
    "standardise": ("auto", "llm"),
    "merge": ("similarity", "llm"),
    "filter": ("none", "consistent"),
    "domain": (*get_args(Domain), "auto", None),
}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text without a usable rationale: one `sample` of the teacher, or a `structure` of a comparison."""

    id: str
    stage: str
    reason: str
    text: str
    sample: int | None = None
    structure: Structure | None = None
    failed: bool = False
    """Whether the call failed; running again retries it."""


@dataclass(frozen=True, slots=True)
class Synthesis:
    """The results for one comparison."""

    comparison: Comparison
    votes: tuple[Vote, ...]
    standardised: tuple[Rationale, ...]
    rationales: Mapping[Structure, Rationale]
    rejected: tuple[Rejected, ...]
    usage: Mapping[Stage, Usage]

    @property
    def failed(self) -> bool:
        """Whether any of its calls failed."""
        return any(rejected.failed for rejected in self.rejected)


def validate_comparisons(comparisons: Iterable[Comparison], settings: Settings) -> list[Comparison]:
    """The comparisons as synthesis uses them: with a domain, and with a reference answer only if it may be shown.

    Raises FathomError for unusable ones.
    """
    prepared = [_prepared(comparison, settings) for comparison in comparisons]
    for comparison in prepared:
        if len(comparison.responses) != 2:
            raise FathomError(
                f"comparison {comparison.id} has {len(comparison.responses)} responses; synthesis expects pairs"
            )
        if comparison.domain is None and "mix" in settings.arms:
            raise FathomError(
                f"comparison {comparison.id} has no domain, and the mix arm needs one; set one for all of them with "
                "--domain preference (which response is liked better) or --domain correctness (which one is right); "
                "if the source has both, name its domain column with --map domain=COLUMN, and map its values with "
                "--map domain.preference=VALUE --map domain.correctness=VALUE; or use --domain auto, which means "
                "correctness for rows with a reference answer and preference for the others; or use one structure for "
                "all with --arm breadth or --arm depth"
            )
    return prepared


def _prepared(comparison: Comparison, settings: Settings) -> Comparison:
    # Removed here, the reference is in no prompt: neither in the teacher's nor in those that the judge is trained on.
    reference = comparison.reference if settings.show_reference else None
    domain = comparison.domain or _domain(comparison, settings)
    return comparison.model_copy(update={"domain": domain, "reference": reference})


def _domain(comparison: Comparison, settings: Settings) -> Domain | None:
    """The domain of a comparison without one."""
    if settings.domain == "auto":
        return "correctness" if comparison.reference else "preference"
    return settings.domain


def structure(arm: Arm, comparison: Comparison) -> Structure:
    """The structure of rationale that an arm uses for this comparison."""
    if arm != "mix":
        return arm
    assert comparison.domain is not None
    return STRUCTURE_FOR_DOMAIN[comparison.domain]


async def synthesise_each(
    comparisons: Sequence[Comparison], engine: Engine, settings: Settings
) -> AsyncIterator[Synthesis]:
    """Synthesise each comparison, in order."""
    async with aclosing(judge_all(maker(engine, settings), comparisons, concurrency=settings.concurrency)) as syntheses:
        async for _, synthesis in syntheses:
            yield synthesis


def maker(engine: Engine, settings: Settings) -> Callable[[Comparison], Awaitable[Synthesis]]:
    """Synthesises one comparison; the requests of all together are limited to `settings.concurrency` in flight."""
    bounded = _Bounded(engine, asyncio.Semaphore(settings.concurrency))
    return partial(_make, engine=bounded, settings=settings)


class _Bounded(EngineWrapper):
    """Limits the requests in flight. One comparison makes several at once, so limiting comparisons is not enough."""

    def __init__(self, engine: Engine, semaphore: asyncio.Semaphore) -> None:
        super().__init__(engine)
        self.semaphore = semaphore

    async def complete(self, request: Request) -> Completion:
        async with self.semaphore:
            return await self.engine.complete(request)


# One comparison -------------------------------------------------------------------------------------------------------


async def _make(comparison: Comparison, engine: Engine, settings: Settings) -> Synthesis:
    steps = Steps(engine, settings.sampling)
    reject = partial(Rejected, comparison.id)
    votes = await bounded_gather(partial(steps.sample, comparison), range(settings.samples))
    read = await asyncio.gather(
        *(
            _attempt(_standardised(steps, vote, sample, settings), partial(reject, sample=sample))
            for sample, vote in enumerate(votes)
        )
    )
    standardised = tuple(rationale for rationale in read if isinstance(rationale, Rationale))
    wanted = sorted({structure(arm, comparison) for arm in settings.arms})
    written = await asyncio.gather(
        *(
            _attempt(_written(name, steps, comparison, standardised, settings), partial(reject, structure=name))
            for name in wanted
        )
    )
    return Synthesis(
        comparison,
        tuple(votes),
        standardised,
        {name: made for name, made in zip(wanted, written, strict=True) if isinstance(made, Rationale)},
        tuple(outcome for outcome in (*read, *written) if isinstance(outcome, Rejected)),
        steps.usage,
    )


async def _attempt(step: Awaitable[Rationale], reject: Callable[..., Rejected]) -> Rationale | Rejected:
    try:
        return await step
    except UnreadableError as error:
        return reject(error.stage, error.reason, error.text, failed=error.failed)


async def _standardised(steps: Steps, vote: Vote, sample: int, settings: Settings) -> Rationale:
    if vote.status in _UNUSABLE:
        failed = vote.status is Status.FAILED
        raise UnreadableError("sample", vote.error or f"the text is {vote.status}", vote.text, failed=failed)
    if settings.standardise == "auto" and vote.rationale and vote.rationale.units:
        return vote.rationale
    return await steps.standardise(vote, sample)


_UNUSABLE = {Status.FAILED, Status.REFUSED, Status.TRUNCATED}
"""Statuses of incomplete judgments. A text that only lacks a verdict can still contribute its units."""


async def _written(
    name: Structure, steps: Steps, comparison: Comparison, rationales: Sequence[Rationale], settings: Settings
) -> Rationale:
    if not rationales:
        raise UnreadableError("standardise", "no sample gave a rationale")
    if name == "vanilla":
        return _vanilla(rationales)
    if name == "breadth":
        return await _breadth(steps, rationales, settings)
    return await _depth(steps, comparison, rationales)


def _vanilla(rationales: Sequence[Rationale]) -> Rationale:
    """The first of the teacher's rationales whose verdict names a response."""
    for rationale in rationales:
        if rationale.verdict in ("A", "B"):
            return Rationale(rationale.units, verdict=rationale.verdict)
    raise UnreadableError("standardise", f"none of {len(rationales)} rationales has a verdict that names a response")


async def _breadth(steps: Steps, rationales: Sequence[Rationale], settings: Settings) -> Rationale:
    if settings.merge == "llm":
        units = await steps.merge(merging.sources(rationales))
        rationale = merging.breadth(units, rationales, keep=settings.keep)
    else:
        rationale = merging.merge(rationales, keep=settings.keep)
    if rationale.verdict is None:
        raise UnreadableError("merge", "sub-verdicts and verdicts are tied, so there is no verdict", render(rationale))
    return rationale


async def _depth(steps: Steps, comparison: Comparison, rationales: Sequence[Rationale]) -> Rationale:
    groups = merging.grouped(merging.sources(rationales))
    units = await steps.choose(comparison, [merging.merged(group).unit for group in groups])
    return await steps.refine(comparison, units, await steps.solve(comparison))
