"""A session: a judge with its engine, journal and bounds, opened from settings.

    settings = JudgingSettings(engine=EngineSettings(model="mini"), judge=JudgeSettings(style="depth"))
    with Session(settings, journal="run.journal") as session:
        for comparison, verdict in session.judge(read("pairs.jsonl")):
            print(comparison.id, verdict.winner)
    session.metered.usage, session.metered.cost         # the spending of this run

`fathom judge` is a session that writes its verdicts to a file. In asynchronous code, use `async with` and
`await session.reward_model(comparison)`. To resume, run again with the same journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

from fathom.data.records import Comparison
from fathom.engines import Engine, check_capabilities
from fathom.engines.cache import CachedEngine
from fathom.engines.checkpoints import resolve
from fathom.engines.heads import fetch_config
from fathom.engines.journal import Journal
from fathom.engines.opening import meter, open_engine, shared
from fathom.errors import FathomError
from fathom.judges import EngineRewardModel, Judge, RewardModel, Rule, SequentialRewardModel, Verdict
from fathom.judging import make_judge_for_checkpoint, meta_reward_model
from fathom.settings import JudgingSettings, VotingSettings
from fathom.voting.adaptive import Adaptive
from fathom.voting.meta import MetaFiltered, MetaRewardModel
from fathom.voting.wrappers import Repeated, Shuffled, Swapped, WithRule

TOP_LOGPROBS = 5
"""The number of top log-probabilities requested: every server supports 5, and further tokens have almost no mass."""


class Session:
    """A judge with its engine and journal, opened from settings. Use it as a context manager, which closes the engine.

    `engine` replaces the engine of the settings. Finished completions are stored in `settings.engine.journal` or
    `journal`; without both, in `store`, by default in memory. Raises FathomError if something cannot be opened and,
    before a model is loaded, if the judge does not support the voting settings.
    """

    def __init__(
        self,
        settings: JudgingSettings,
        *,
        journal: str | Path | None = None,
        engine: Engine | None = None,
        store: Journal | None = None,
    ) -> None:
        self.settings = settings
        judge = judge_of(settings)  # before the engine: invalid settings must not load a model
        # The meter is inside the cache, so that completions from the journal cost nothing and count towards no bound.
        self.metered = meter(engine or open_engine(settings.engine), settings.engine, settings.bounds)
        file = settings.engine.journal or journal
        self.journal = Path(file or ":memory:")
        self.cached = CachedEngine(self.metered, self.journal if file or store is None else store)
        self.base_judge = replace(judge, engine=self.cached)
        """The judge without wrappers, which casts one vote."""
        check_capabilities(self.metered, self.base_judge.needs, f"the judge {type(judge).__name__}")

    @cached_property
    def meta(self) -> MetaRewardModel | None:
        """The meta reward model of the settings, if any, on the device of the local engine."""
        return meta_of(self.settings, self.base_judge)

    @property
    def reward_model(self) -> RewardModel:
        """The judge with the wrappers that the voting settings require."""
        return with_votes(self.base_judge, self.settings.voting, self.settings.sampling.seed, self.meta)

    @property
    def in_both_orders(self) -> RewardModel:
        """As `reward_model`, but listwise judges see pairs in both orders rather than in a random order."""
        return in_both_orders(self.base_judge, self.settings.voting, self.settings.sampling.seed, self.meta)

    def judge(
        self, comparisons: Iterable[Comparison], *, concurrency: int = 64
    ) -> Iterator[tuple[Comparison, Verdict]]:
        """Yield each comparison with its verdict, in the order of the input. For synchronous code."""
        return self.reward_model.run(comparisons, concurrency=concurrency)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.cached.__exit__(*raised)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        await self.cached.__aexit__(kind, error, traceback)


def judge_of(settings: JudgingSettings) -> EngineRewardModel:
    """The judge of the settings, or else of the checkpoint, without an engine.

    Raises FathomError for an unknown judge, for an invalid setting, and for voting settings that do not fit the judge.
    """
    model, given_judge = settings.engine.model, settings.judge.arguments
    if settings.engine.name == "local" and model:
        fetch_config(resolve(model))
    if settings.engine.name == "scores":  # what a server has loaded is not known here, but it writes no text
        given_judge = {"name": "scalar"} | given_judge
    judge = make_judge_for_checkpoint(Path(resolve(model)) if model else None, **given_judge)
    if isinstance(judge, Judge | SequentialRewardModel) and "text" in judge.needs:
        _check_that_votes_differ(settings)
        given = settings.sampling.model_dump(exclude_none=True)
        judge = replace(judge, sampling=replace(judge.sampling, **given))
    else:
        _check_sampling(judge, settings)
    _check_votes(judge, settings.voting)
    if (settings.voting.aggregate or judge.rule.aggregate) != "probability":
        return judge
    if not isinstance(judge, Judge):
        raise FathomError(f"--aggregate probability: {type(judge).__name__} gives no probabilities; expected mean")
    if judge.arity == "pointwise":
        raise FathomError(
            f"--aggregate probability needs a judge that names one of several responses; {type(judge).__name__} scores "
            "each response alone; expected mean or sum"
        )
    return replace(judge, sampling=replace(judge.sampling, top_logprobs=TOP_LOGPROBS))


def _check_sampling(model: EngineRewardModel, settings: JudgingSettings) -> None:
    """Raise FathomError for settings that have no effect on a model that reads texts and writes none."""
    sampling, voting = settings.sampling, settings.voting
    given = {
        "--votes": voting.votes if voting.votes != 1 else None,
        "--temperature": sampling.temperature or None,
        "--top-p": sampling.top_p,
        "--max-tokens": sampling.max_tokens,
        "--meta": voting.meta,
    }
    for flag, value in given.items():
        if value is not None:
            raise FathomError(
                f"{flag} {value} has no effect: {type(model).__name__} writes no text, and its score is always the "
                "same; leave it out"
            )


def _check_that_votes_differ(settings: JudgingSettings) -> None:
    votes = settings.voting.votes
    if votes != 1 and settings.sampling.temperature == 0:
        raise FathomError(
            f"--votes {votes} at temperature 0 repeats one vote; expected a higher temperature, such as 0.8"
        )


def _check_votes(judge: EngineRewardModel, voting: VotingSettings) -> None:
    aggregate = voting.aggregate or judge.rule.aggregate
    if voting.tie_votes == "drop" and aggregate != "majority":
        raise FathomError(
            f"--tie-votes drop requires --aggregate majority; got --aggregate {aggregate}, which uses scores and "
            "has no votes for a tie"
        )
    if aggregate in ("sum", "mean") and not judge.gives_scores:
        raise FathomError(
            f"--aggregate {aggregate} needs scores; {type(judge).__name__} names a winner without scores; expected "
            "majority, or no --aggregate"
        )


def with_votes(
    judge: EngineRewardModel, voting: VotingSettings, seed: int, meta: MetaRewardModel | None = None
) -> RewardModel:
    """Wrap a judge so that it casts the votes of the voting settings, in their orders and with their rule.

    The order of the wrappers matters. `Swapped` or `Shuffled` is innermost, so that every repetition has both or random
    orders. `Repeated` multiplies these votes, and `MetaFiltered` selects among all of them. `WithRule` only replaces
    the rule; `Adaptive` applies that rule after every vote, so it wraps `WithRule`.
    """
    model: RewardModel = judge
    if voting.swap and judge.arity == "pairwise":
        model = Swapped(model)
    elif voting.swap and judge.arity == "listwise":
        model = Shuffled(model, seed=seed)
    rule = Rule(
        aggregate=voting.aggregate or judge.rule.aggregate,
        invalid=voting.invalid_votes,
        ties=voting.tie_votes,
        steps=voting.step_reduction or judge.rule.steps,
    )
    if voting.votes == "adaptive":
        return Adaptive(WithRule(model, rule), voting.most, voting.error)
    if voting.votes > 1:
        model = Repeated(model, voting.votes)
    if meta is not None:
        model = MetaFiltered(model, meta, voting.kept)
    return model if rule == model.rule else WithRule(model, rule)


def meta_of(settings: JudgingSettings, judge: EngineRewardModel) -> MetaRewardModel | None:
    """The meta reward model of the settings, if any, on the device of the local engine. Loads its weights."""
    if settings.voting.meta is None:
        return None
    engine = settings.engine
    options = {"device": engine.device, "dtype": engine.dtype, "max_batch_tokens": engine.max_batch_tokens}
    given = {name: value for name, value in options.items() if value is not None}
    return meta_reward_model(settings.voting.meta, judge, **given)


def in_both_orders(
    judge: EngineRewardModel, voting: VotingSettings, seed: int, meta: MetaRewardModel | None = None
) -> RewardModel:
    """As `with_votes`, for pairs: if the settings swap, listwise judges see both orders too."""
    model = with_votes(judge, voting.model_copy(update={"swap": False}), seed, meta)
    return Swapped(model) if voting.swap and model.arity != "pointwise" else model


@contextmanager
def shared_engine(settings: JudgingSettings) -> Iterator[Engine]:
    """An engine for several sessions, which share its bounds and do not close it.

    Raises FathomError if it cannot be opened; invalid judge settings are reported before a model is loaded.
    """
    judge_of(settings)
    with shared(meter(open_engine(settings.engine), settings.engine, settings.bounds)) as engine:
        yield engine
