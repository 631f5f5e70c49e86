"""A session: a judge with its engine, its journal and its bounds, opened from settings.

    settings = JudgingSettings(engine=EngineSettings(model="mini"), judge=JudgeSettings(style="depth"))
    with Session(settings, journal="run.journal") as session:
        for comparison, verdict in session.judge(read("pairs.jsonl")):
            print(comparison.id, verdict.winner)
    session.metered.usage, session.metered.cost         # what this run spent

`fathom judge` is a session whose verdicts are written to a file. In asynchronous code: `async with`, and
`await session.voter(comparison)`. To resume is to run again with the same journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

from fathom.data.records import Comparison
from fathom.engines import Engine, EngineWrapper, check_capabilities
from fathom.engines.cache import CachedEngine
from fathom.engines.checkpoints import resolve
from fathom.engines.opening import meter, open_engine
from fathom.errors import FathomError
from fathom.judges import Judge, RewardModel, Rule, Verdict
from fathom.judging import as_trained, meta_reward_model
from fathom.settings import JudgingSettings, VotingSettings
from fathom.voting.adaptive import Adaptive
from fathom.voting.meta import MetaFiltered, MetaRewardModel
from fathom.voting.wrappers import Repeated, Shuffled, Swapped, WithRule

TOP_LOGPROBS = 5
"""Of the most likely tokens, as many as any server gives. More would make journals larger, and hold next to no mass."""


class Session:
    """Opens what `settings` describe; `engine` takes the place of the one that they name.

    `journal` keeps finished completions, where the settings name no other file; without any, nothing is kept. Raises
    FathomError for what cannot be opened, and, before a model is loaded, for votes that the judge cannot cast.
    """

    def __init__(
        self, settings: JudgingSettings, *, journal: str | Path | None = None, engine: Engine | None = None
    ) -> None:
        self.settings = settings
        judge = judge_of(settings)
        self.metered = meter(engine or open_engine(settings.engine), settings.engine, settings.bounds)
        self.journal = Path(settings.engine.journal or journal or ":memory:")
        self.cached = CachedEngine(self.metered, self.journal)
        self.reward_model = replace(judge, engine=self.cached)
        check_capabilities(self.metered, self.reward_model.needs, f"the judge {type(judge).__name__}")

    @cached_property
    def meta(self) -> MetaRewardModel | None:
        """The meta reward model of the settings, on the device of the local engine."""
        if self.settings.voting.meta is None:
            return None
        engine = self.settings.engine
        options = {"device": engine.device, "dtype": engine.dtype, "max_batch_tokens": engine.max_batch_tokens}
        given = {name: value for name, value in options.items() if value is not None}
        return meta_reward_model(self.settings.voting.meta, self.reward_model, **given)

    @property
    def voter(self) -> RewardModel:
        """The judge with the votes that the settings ask for."""
        return voter_of(self.reward_model, self.settings.voting, self.settings.sampling.seed, self.meta)

    @property
    def in_both_orders(self) -> RewardModel:
        """As `voter`, for pairs: a judge of lists, too, sees both orders, where `voter` draws a random one."""
        return in_both_orders(self.reward_model, self.settings.voting, self.settings.sampling.seed, self.meta)

    def judge(
        self, comparisons: Iterable[Comparison], *, concurrency: int = 64
    ) -> Iterator[tuple[Comparison, Verdict]]:
        """The comparisons with their verdicts, in order, from code that is not asynchronous."""
        return self.voter.run(comparisons, concurrency=concurrency)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.cached.__exit__(*raised)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        await self.cached.__aexit__(kind, error, traceback)


def judge_of(settings: JudgingSettings) -> Judge:
    """The judge that the settings name, else the one that the checkpoint was trained to be; without an engine.

    Raises FathomError for one that is not there, for a setting that it does not take, and for votes that it cannot cast
    or that cannot be counted so.
    """
    model = settings.engine.model
    judge = as_trained(Path(resolve(model)) if model else None, **settings.judge.arguments)
    given = settings.sampling.model_dump(exclude_none=True)
    judge = replace(judge, sampling=replace(judge.sampling, **given))
    _check_votes(judge, settings.voting)
    if (settings.voting.aggregate or judge.rule.aggregate) != "probability":
        return judge
    if judge.arity == "pointwise":
        raise FathomError(
            f"--aggregate probability takes a judge that names one of several responses; {type(judge).__name__} scores "
            "each alone: mean and sum count scores"
        )
    return replace(judge, sampling=replace(judge.sampling, top_logprobs=TOP_LOGPROBS))


def _check_votes(judge: Judge, voting: VotingSettings) -> None:
    aggregate = voting.aggregate or judge.rule.aggregate
    if voting.tie_votes == "drop" and aggregate != "majority":
        raise FathomError(
            f"--tie-votes drop goes with --aggregate majority; {aggregate} adds up what votes tell, also equal scores"
        )
    if aggregate in ("sum", "mean") and not judge.gives_scores:
        raise FathomError(
            f"--aggregate {aggregate} counts scores; {type(judge).__name__} names a winner and gives no scores: leave "
            "--aggregate out"
        )


def voter_of(judge: Judge, voting: VotingSettings, seed: int, meta: MetaRewardModel | None = None) -> RewardModel:
    """The judge with as many votes as the settings ask for, in the orders and under the rule that they name."""
    voter: RewardModel = judge
    if voting.swap and judge.arity == "pairwise":
        voter = Swapped(voter)
    elif voting.swap and judge.arity == "listwise":
        voter = Shuffled(voter, seed=seed)
    rule = Rule(
        aggregate=voting.aggregate or judge.rule.aggregate,
        invalid=voting.invalid_votes,
        ties=voting.tie_votes,
        steps=voting.step_reduction,
    )
    if voting.votes == "adaptive":
        return Adaptive(WithRule(voter, rule), voting.most, voting.error)
    if voting.votes > 1:
        voter = Repeated(voter, voting.votes)
    if meta is not None:
        voter = MetaFiltered(voter, meta, voting.kept)
    return voter if rule == voter.rule else WithRule(voter, rule)


def in_both_orders(judge: Judge, voting: VotingSettings, seed: int, meta: MetaRewardModel | None = None) -> RewardModel:
    """As `voter_of`, for comparisons that are pairs: swapped, where the settings swap, also of a judge of lists."""
    voter = voter_of(judge, voting.model_copy(update={"swap": False}), seed, meta)
    return Swapped(voter) if voting.swap and voter.arity != "pointwise" else voter


@contextmanager
def shared_engine(settings: JudgingSettings) -> Iterator[Engine]:
    """One engine for several sessions, none of which closes it. The bounds hold for all of them together.

    Raises FathomError for what cannot be opened: before a model is loaded, where it can be told by then.
    """
    judge_of(settings)
    engine = meter(open_engine(settings.engine), settings.engine, settings.bounds)
    try:
        yield _Shared(engine)
    finally:
        asyncio.run(engine.close())


class _Shared(EngineWrapper):
    """An engine as it is, without `close`."""

    async def close(self) -> None: ...
