"""Rejection sampling: correct trajectories of a judge, for rejective fine-tuning.

    result = await sample(comparisons, engine, Settings(judge=SPCTJudge(), samples=3))
    write(result, Path("rejection"))                # rft.jsonl, rejected.jsonl, comparisons.jsonl, ...

Method: arXiv 2504.02495 (SPCT), section 3.2. Every comparison is judged `samples` times. Incorrect trajectories are
rejected. If all samples of a comparison are correct, they are rejected too, because it is too easy to teach anything.
The comparison is also judged once with a hint: a sentence after the prompt that names the best response and, if the
label has scores, the margin. The hinted trajectory is rejected only if it is incorrect. Correctness is decided by the
reward of the judge's paper (`Judge.vote_reward`).

With labels of the steps of solutions, this is the filter of ThinkPRM (arXiv 2504.16828, section 3.2), by the judge
`thinkprm` with `reads=steps`: a chain is kept if it has a verdict for every step up to the first incorrect one (else it
is "missing" or "invalid"), if all verdicts agree with the labels (else "incorrect"), and if it ends within the token
limit (else "truncated"). `balance` then draws as many chains on wrong solutions as on right ones (else "surplus").
There are no hints, and with `easy` no chain is too easy.

The rows have the layout of `fathom train sft`. Their prompt is the one for trained models, without instructions and
without the hint. To resume, run again with the same journal (`CachedEngine`).

A hinted trajectory may take a shortcut to the hint instead of reasoning, as the paper's authors observed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from fathom import prompts
from fathom.data.atomic import atomic_write
from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.engines import AnyRequest, ChatMessage, Engine, EngineError, Request, Sampling
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Judge, Vote, bounded_gather, failed_vote, judge_all, required_label
from fathom.judges.spct import SPCTJudge
from fathom.judging.choice import described
from fathom.metrics.answers import checking
from fathom.rationale import Status
from fathom.results.provenance import write_json
from fathom.results.rows import VerdictRow, reported, to_row, write_row
from fathom.settings import RejectionSettings, SamplingSettings
from fathom.voting.wrappers import Repeated

Source = Literal["sampled", "hinted"]
TOO_EASY = "too easy"
"""Reason of rejection if all samples of a comparison are correct."""
SURPLUS = "surplus"
"""Reason of rejection of correct trajectories of which there are too many for the balance of right and wrong."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    judge: Judge = field(default_factory=SPCTJudge)
    """Prompts the teacher and parses its texts. The rows use its prompt for trained models, if it has one."""
    samples: int = 3
    """Trajectories without a hint per comparison; at least 2."""
    hints: bool = True
    """Whether to sample one trajectory with a hint as well."""
    easy: bool = False
    """Whether to keep the trajectories of a comparison whose samples are all correct."""
    balance: bool = False
    """Whether to keep as many trajectories on right as on wrong responses, of comparisons with a single response."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.5, max_tokens=4096))
    """The temperature must be above 0."""
    concurrency: int = 64
    """Maximum number of comparisons in progress."""

    @classmethod
    def of(cls, judge: Judge, rejection: RejectionSettings, sampling: SamplingSettings) -> Settings:
        """The settings that the options of `fathom rejection-sample` describe."""
        given = Sampling(**sampling.model_dump(exclude_none=True))
        return cls(judge=judge, sampling=given, **rejection.model_dump())

    def __post_init__(self) -> None:
        if self.samples < 2 and not self.easy:
            raise FathomError(
                f"got samples={self.samples}, expected at least 2: with a single sample, every comparison is either "
                "too easy or incorrect (easy=True keeps both)"
            )
        if self.sampling.temperature == 0 and self.samples > 1:
            raise FathomError(
                f"got temperature 0, expected more: {self.samples} samples would be the same text; try 0.5"
            )
        if self.concurrency < 1:
            raise FathomError(f"got concurrency={self.concurrency}, expected at least 1")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One text of the teacher. `rejected` is the reason of its rejection; None if it is kept for training."""

    comparison: Comparison
    source: Source
    sample: int
    vote: Vote
    rejected: str | None


@dataclass(frozen=True)
class Result:
    settings: Settings
    trajectories: tuple[Trajectory, ...]

    @classmethod
    def of(cls, settings: Settings, trajectories: Iterable[Trajectory]) -> Result:
        """The result of these trajectories, balanced if the settings say so."""
        found = tuple(trajectories)
        return cls(settings, balanced(found) if settings.balance else found)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The training set: TRL's prompt-completion rows, with `id`, `domain` and `source`."""
        judge = trained(self.settings.judge)
        return [_row(judge, each) for each in self.trajectories if each.rejected is None]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Number of trajectories by source and by "kept" or the reason of rejection."""
        sources = dict.fromkeys(each.source for each in self.trajectories)
        return {
            source: dict(Counter(each.rejected or "kept" for each in self.trajectories if each.source == source))
            for source in sources
        }

    @property
    def usage(self) -> Usage:
        return sum((each.vote.usage for each in self.trajectories), Usage())


async def sample(comparisons: Iterable[Comparison], engine: Engine, settings: Settings) -> Result:
    """Sample trajectories for all comparisons. Raises FathomError for unusable comparisons, before any call."""
    with checking(settings.judge) as judge:
        settings = replace(settings, judge=judge)
        usable = validate_comparisons(comparisons, settings)
        return Result.of(settings, [each async for made in sampled(usable, engine, settings) for each in made])


def validate_comparisons(comparisons: Iterable[Comparison], settings: Settings) -> list[Comparison]:
    """The comparisons. Raises FathomError for one that the judge cannot take, or whose label tells nothing."""
    usable = list(comparisons)
    for comparison in usable:
        settings.judge.check(comparison)
        settings.judge.check_label(comparison)
        _check_use(comparison, settings)
    return usable


def _check_use(comparison: Comparison, settings: Settings) -> None:
    if settings.hints and required_label(comparison).steps is not None:
        raise FathomError(
            f"comparison {comparison.id!r} has labels of steps, which a hint does not name; sample without hints "
            "(--no-hints)"
        )
    if settings.balance and len(comparison.responses) != 1:
        raise FathomError(
            f"comparison {comparison.id!r} has {len(comparison.responses)} responses, so it is neither right nor "
            "wrong; balance applies to single responses"
        )


async def sampled(
    comparisons: Sequence[Comparison], engine: Engine, settings: Settings
) -> AsyncIterator[list[Trajectory]]:
    """The trajectories of each comparison, in the order of the comparisons."""
    judge = replace(settings.judge, engine=engine, sampling=settings.sampling)
    work = partial(_of_one, judge=judge, settings=settings)
    async with aclosing(judge_all(work, comparisons, concurrency=settings.concurrency)) as results:
        async for _, trajectories in results:
            yield trajectories


def requests(comparison: Comparison, settings: Settings) -> list[AnyRequest]:
    """All calls for one comparison: the samples, and the one with a hint."""
    judge = replace(settings.judge, sampling=settings.sampling)
    samples = [ask.request for ask in Repeated(judge, settings.samples).plan(comparison) if ask.vote is None]
    return [*samples, *([_hinted_request(judge, comparison)] if settings.hints else [])]


async def _of_one(comparison: Comparison, judge: Judge, settings: Settings) -> list[Trajectory]:
    plain, with_hint = await asyncio.gather(
        Repeated(judge, settings.samples).votes(comparison),
        bounded_gather(partial(_hinted_vote, judge), [comparison] if settings.hints else []),
    )
    return [
        *judged(judge, comparison, plain, easy=settings.easy),
        *(Trajectory(comparison, "hinted", 0, vote, rejection_reason(judge, vote, comparison)) for vote in with_hint),
    ]


def judged(judge: Judge, comparison: Comparison, votes: Sequence[Vote], *, easy: bool = False) -> list[Trajectory]:
    """The trajectories without a hint of one comparison, with their reasons of rejection."""
    reasons = [rejection_reason(judge, vote, comparison) for vote in votes]
    if not any(reasons) and not easy:
        reasons = [TOO_EASY] * len(reasons)
    return [
        Trajectory(comparison, "sampled", sample, vote, reason)
        for sample, (vote, reason) in enumerate(zip(votes, reasons, strict=True))
    ]


def balanced(trajectories: Sequence[Trajectory]) -> tuple[Trajectory, ...]:
    """The trajectories of single responses, of which as many are kept on right as on wrong ones.

    Which ones are kept of the more frequent kind is random, and the same in every run.
    """
    kept = [each for each in trajectories if each.rejected is None]
    kinds = [[each for each in kept if _on_right_response(each) == kind] for kind in (True, False)]
    more, fewer = sorted(kinds, key=len, reverse=True)
    drawn = random.Random("balance").sample(range(len(more)), len(more) - len(fewer))
    surplus = {(more[place].comparison.id, more[place].source, more[place].sample) for place in drawn}
    return tuple(
        replace(each, rejected=SURPLUS)
        if each.rejected is None and (each.comparison.id, each.source, each.sample) in surplus
        else each
        for each in trajectories
    )


def _on_right_response(trajectory: Trajectory) -> bool:
    scores = required_label(trajectory.comparison).response_scores
    return scores is not None and scores[0] >= 0.5


def rejection_reason(judge: Judge, vote: Vote, comparison: Comparison) -> str | None:
    """Why to reject a trajectory: its status if it has no verdict, "incorrect", or None if it is correct."""
    if vote.status is not Status.OK:
        return str(vote.status)
    return None if judge.vote_reward(vote, comparison) > 0 else "incorrect"


async def _hinted_vote(judge: Judge, comparison: Comparison) -> Vote:
    assert judge.engine is not None
    try:
        completion = await judge.engine.complete(_hinted_request(judge, comparison))
    except EngineError as error:
        return failed_vote(error)
    return judge.read_completion(completion, comparison)


def _hinted_request(judge: Judge, comparison: Comparison) -> Request:
    return Request(tuple(hinted(judge.prompt(comparison), comparison)), judge.sampling)


def hinted(messages: Sequence[ChatMessage], comparison: Comparison) -> list[ChatMessage]:
    """Append a hint to the prompt that reveals the label, with the margin if the label has scores."""
    label = required_label(comparison)
    hint = prompts.render("synth/hint", best=label.winner, scores=label.scores)
    *before, last = messages
    return [*before, {"role": last["role"], "content": f"{last['content']}\n\n{hint}"}]


def trained(judge: Judge) -> Judge:
    """The judge to train: the same one, with the prompt for trained models if it has one."""
    has_one = any(each.name == "trained" for each in fields(judge))
    settings: dict[str, Any] = {"trained": True} if has_one else {}
    return replace(judge, engine=None, **settings)


def _row(judge: Judge, trajectory: Trajectory) -> dict[str, Any]:
    comparison = trajectory.comparison
    return {
        "id": comparison.id,
        "domain": comparison.domain,
        "source": trajectory.source,
        "sample": trajectory.sample,
        "prompt": judge.prompt(comparison),
        "completion": [{"role": "assistant", "content": judge.demonstration(trajectory.vote)}],
    }


def manifest(result: Result) -> dict[str, Any]:
    """Settings, counts by reason and tokens, in JSON types."""
    settings = {each.name: getattr(result.settings, each.name) for each in fields(result.settings)}
    return {
        "settings": settings | {"judge": described(result.settings.judge)},
        "comparisons": len({each.comparison.id for each in result.trajectories}),
        "trajectories": result.counts,
        "tokens": reported(result.usage),
    }


def table(result: Result) -> str:
    """The counts as text."""
    lines = [f"{source:<10}{reason:<12}{count:>9,}" for source, reason, count in _counted(result)]
    return "\n".join([*lines, str(result.usage)])


_REMEDIES = {
    "truncated": "raise the token limit (--max-tokens)",
    TOO_EASY: "use harder comparisons, more --samples, or --easy",
    SURPLUS: "only right, or only wrong solutions were judged correctly; use more --samples, or no --balance",
    "incorrect": "use more --samples, a better teacher, or hints, if they are off",
    "failed": "see the errors in rejected.jsonl; the same command retries the failed calls",
}


def warning(result: Result) -> str | None:
    """If nothing was kept, a message with the most common reason and a remedy; otherwise None."""
    reasons = Counter(each.rejected for each in result.trajectories)
    if not reasons or None in reasons:
        return None
    [(reason, count)] = reasons.most_common(1)
    remedy = _REMEDIES.get(str(reason), "check in rejected.jsonl whether the teacher follows the prompt")
    return (
        f"nothing was kept; the most common reason is {reason!r} ({count} of {reasons.total()} trajectories): {remedy}"
    )


def _counted(result: Result) -> Iterator[tuple[str, str, int]]:
    for source, counts in result.counts.items():
        for reason, count in sorted(counts.items(), key=lambda each: (each[0] != "kept", each)):
            yield source, reason, count


def without_hint(result: Result) -> Iterator[tuple[Comparison, list[Trajectory]]]:
    """Each comparison with its trajectories without a hint."""
    plain = (each for each in result.trajectories if each.source == "sampled")
    for _, group in groupby(plain, key=lambda each: each.comparison.id):
        trajectories = list(group)
        yield trajectories[0].comparison, trajectories


def results(result: Result) -> Iterator[VerdictRow]:
    """Result rows like those of `fathom judge`, with all votes without a hint: training data of meta reward models."""
    for comparison, trajectories in without_hint(result):
        yield to_row(comparison, result.settings.judge.verdict([each.vote for each in trajectories]))


def not_too_easy(result: Result) -> Iterator[Comparison]:
    """The comparisons with at least one incorrect sample, for reinforcement learning."""
    for comparison, trajectories in without_hint(result):
        if any(each.rejected not in (None, TOO_EASY, SURPLUS) for each in trajectories):
            yield comparison


def write(result: Result, out: Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Write the files of a run into the folder `out`.

    rft.jsonl is the training set, rejected.jsonl has texts and reasons, comparisons.jsonl those `not_too_easy`,
    votes.jsonl the `results`, manifest.json settings and counts.
    """
    write_jsonl(out / "rft.jsonl", result.rows)
    write_jsonl(out / "comparisons.jsonl", not_too_easy(result))
    with atomic_write(out / "votes.jsonl") as file:
        for row in results(result):
            write_row(file, row)
    write_jsonl(
        out / "rejected.jsonl", [_rejected_row(each) for each in result.trajectories if each.rejected is not None]
    )
    write_json(out / "manifest.json", {**manifest(result), **(provenance or {})})


def _rejected_row(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "id": trajectory.comparison.id,
        "source": trajectory.source,
        "sample": trajectory.sample,
        "reason": trajectory.rejected,
        "error": trajectory.vote.error,
        "text": trajectory.vote.text,
    }
