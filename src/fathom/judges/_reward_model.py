"""Reward models: `plan` lists the calls to make for a comparison, `gather` turns their results into votes.

    asks = model.plan(comparison)                        # pure: the requests, each with its responses and their order
    votes = gather(asks, await complete(asks))           # `complete` makes the calls; `gather` is pure
    verdict = model.verdict(votes)

Because `plan` and `gather` are pure, a reward model works the same with a local model, a server or recorded
transcripts. A reward model with one engine (`EngineRewardModel`) implements only `requests` and `read_answers`, from
which both follow.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, ClassVar, Literal

from fathom.data.records import Comparison
from fathom.engines import Answer, AnyRequest, Capability, Completion, Engine, EngineError, answer
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges._running import ResultOrder, bounded_gather, iterate, judge_all
from fathom.judges._verdict import Rule, Verdict, Vote, unique_argmax
from fathom.rationale import Status

Arity = Literal["pointwise", "pairwise", "listwise"]
"""How many responses one prompt shows: one, two, or any number."""

DEFAULT_RULES: Mapping[Arity, Rule] = {
    "pointwise": Rule(aggregate="mean"),
    "listwise": Rule(aggregate="sum"),
    "pairwise": Rule(aggregate="majority"),
}
"""The default rule by arity: ratings of single responses are averaged, scores of a list are summed, and winners of
pairs are counted."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The planned calls for one vote. Prompts are rendered when `requests` is read, so plans of many votes stay small.

    A judge makes one call per vote. Other reward models may read several texts for it, such as an answer with and
    without its prompt.
    """

    judge: EngineRewardModel
    comparison: Comparison
    """The comparison as the prompt shows it: only the responses of this call, in the order of this call."""
    order: tuple[int, ...]
    """`order[k]` is the index, in the planned comparison, of the response shown at position k."""
    sample: int = 0
    """Sample number, which determines the random draws together with the seed."""
    vote: Vote | None = None
    """The vote, if it is known without a call."""

    @property
    def requests(self) -> tuple[AnyRequest, ...]:
        return self.judge.requests(self.comparison, self.sample)

    @property
    def request(self) -> AnyRequest:
        """The only request. Raises ValueError if there are several."""
        (request,) = self.requests
        return request


Result = tuple[Answer, ...] | EngineError | None
"""The answers to the requests of an ask; an error if one of them failed; None if no call was needed."""


async def complete(asks: Sequence[Ask]) -> list[Result]:
    """Make the calls of each ask with its reward model's engine.

    Raises FathomError for a reward model without an engine.
    """
    return await bounded_gather(_completed, asks)


async def _completed(ask: Ask) -> Result:
    if ask.vote is not None:
        return None
    engine = ask.judge.engine
    if engine is None:
        raise FathomError(f"{type(ask.judge).__name__} has no engine; pass engine=...")

    async def call(request: AnyRequest) -> Answer | EngineError:
        try:
            return await answer(engine, request)
        except EngineError as error:
            return error

    results = await bounded_gather(call, ask.requests)
    answers = tuple(each for each in results if not isinstance(each, EngineError))
    if len(answers) == len(results):
        try:
            return answers + await ask.judge.more_answers(answers, ask.comparison)
        except EngineError as failure:
            results = [*answers, failure]
    error = next(each for each in results if isinstance(each, EngineError))
    error.usage = sum((each.usage for each in results), Usage())
    return error


def gather(asks: Sequence[Ask], results: Sequence[Completion | Result]) -> list[Vote]:
    """Turn the results of a plan into votes, with indices that refer to the planned comparison.

    A completion alone stands for the answers of an ask with one request.

    Consecutive calls of one judge and sample that each show a single response become one vote (`merge_pointwise`). A
    failed call is a vote with status `failed`, never an exception.
    """
    votes: list[Vote] = []
    # Votes on single responses that wait to be merged, by response index. A repeated index starts the next vote.
    single: dict[int, Vote] = {}
    previous: Ask | None = None
    for ask, result in zip(asks, results, strict=True):
        vote = _vote(ask, result)
        if len(ask.order) > 1:
            votes.append(vote.unpermuted(ask.order))
            continue
        same = previous is not None and previous.judge is ask.judge and previous.sample == ask.sample
        if previous is not None and single and (not same or ask.order[0] in single):
            votes.append(_merged(single, previous.judge))
            single = {}
        single[ask.order[0]] = vote
        previous = ask
    return [*votes, _merged(single, previous.judge)] if previous is not None and single else votes


def _merged(single: Mapping[int, Vote], judge: EngineRewardModel) -> Vote:
    votes = list(single.values())
    return votes[0] if len(votes) == 1 else judge.merge(votes).unpermuted(tuple(single))


def _vote(ask: Ask, result: Completion | Result) -> Vote:
    """The vote of one call, with indices that refer to the responses as shown."""
    shown = tuple(range(len(ask.order)))
    if ask.vote is not None:
        return replace(ask.vote, order=shown)
    if result is None:
        return Vote(Status.FAILED, order=shown, error="no completion was recorded")
    if isinstance(result, EngineError):
        return replace(failed_vote(result), order=shown)
    return ask.judge.read_answers(result if isinstance(result, tuple) else (result,), ask.comparison)


class RewardModel:
    """Anything that casts votes on comparisons: a `Judge` or a wrapper of `fathom.voting`.

    `verdict = await model(comparison)`. Subclasses implement `plan` or override `votes`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Raise FathomError for a class with the former `pattern`, which would be taken for a pairwise one."""
        super().__init_subclass__(**options)
        if "pattern" in vars(cls):
            raise FathomError(f"{cls.__name__} sets `pattern`, which is named `arity` since version 0.2; rename it")

    @property
    def arity(self) -> Arity:
        return "pairwise"

    @property
    def rule(self) -> Rule:
        """How the votes are aggregated to a verdict."""
        return DEFAULT_RULES[self.arity]

    @property
    def threshold(self) -> float | None:
        """Decision threshold for a single response: a score at or above it means correct, a lower one incorrect.

        None if scores only compare responses.
        """
        return None

    @property
    def gives_scores(self) -> bool:
        """Whether the votes have scores; False if they only name a winner."""
        return True

    @property
    def scores_steps(self) -> bool:
        """Whether the votes score the steps of each response."""
        return False

    @property
    def needs(self) -> frozenset[Capability]:
        """Capabilities that the engine must have: `text`, `logprobs`, ..."""
        return frozenset({"text"})

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        """All calls for one comparison. Equal values of `sample` give equal random draws, different ones independent
        draws. Raises FathomError for a comparison that this model cannot judge.
        """
        raise NotImplementedError(f"{type(self).__name__} has no plan: its calls depend on earlier answers")

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        """The votes on a comparison, from the calls of `plan`.

        Override this if later calls depend on earlier answers, or if votes are filtered.
        """
        asks = self.plan(comparison, sample)
        return gather(asks, await complete(asks))

    async def __call__(self, comparison: Comparison) -> Verdict:
        """The verdict. Raises FathomError for votes without the scores or probabilities to aggregate."""
        votes = await self.votes(comparison)
        try:
            return self.verdict(votes)
        except ValueError as error:
            raise FathomError(
                f"comparison {comparison.id!r}: {error}; the aggregate 'majority' needs neither"
            ) from error

    def verdict(self, votes: Sequence[Vote]) -> Verdict:
        """Aggregate votes by this model's rule and threshold. Raises ValueError as `Rule` does."""
        return self.rule(votes, threshold=self.threshold)

    def run(
        self, comparisons: Iterable[Comparison], *, concurrency: int = 64, order: ResultOrder = "input"
    ) -> Iterator[tuple[Comparison, Verdict]]:
        """Judge from synchronous code, including notebooks: `for comparison, verdict in judge.run(...)`.

        Yields verdicts while other comparisons are in flight. Leaving the loop early cancels these. To use a journal,
        open it around the loop: `with CachedEngine(engine, "run.journal") as cached: ...`.
        """
        return iterate(judge_all(self, comparisons, concurrency=concurrency, order=order))


@dataclass(frozen=True, kw_only=True)
class EngineRewardModel(RewardModel):
    """A reward model that asks one engine and casts one vote: the base of all that `--judge NAME` finds.

    Subclasses implement `requests` and `read_answers`, set `arity`, and declare in `needs` what the engine must do.
    Their fields are their settings. `Judge` is the one that writes text; the models of `fathom.rewards` write none.
    """

    engine: Engine | None = None
    arity: ClassVar[Arity] = "pairwise"
    threshold: ClassVar[float | None] = None
    gives_scores: ClassVar[bool] = True
    scores_steps: ClassVar[bool] = False

    @abstractmethod
    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        """What to ask the engine for one vote. Must not depend on the comparison's label."""

    @abstractmethod
    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        """The vote from the answers to `requests`, in their order, with indices that refer to the responses as shown.

        An answer without a usable number gives a vote with a status that is not OK.
        """

    async def more_answers(self, answers: Sequence[Answer], comparison: Comparison) -> tuple[Answer, ...]:
        """Answers to calls that depend on the answers to `requests`; `read_answers` gets them after those.

        They may come from another engine. Raises EngineError if one of the calls fails.
        """
        return ()

    def decided(self, comparison: Comparison) -> Vote | None:
        """The vote on a comparison that needs no model call, such as an empty response; None otherwise."""
        return None

    def merge(self, votes: Sequence[Vote]) -> Vote:
        """One vote from a pointwise judge's votes on each of several responses, in the order shown."""
        return merge_pointwise(votes)

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        """One call; for a pointwise judge, one call per response."""
        n = len(comparison.responses)
        if self.arity == "pointwise" and n > 1:
            return [self._ask(comparison.subset((place,)), (place,), sample) for place in range(n)]
        return [self._ask(comparison, tuple(range(n)), sample)]

    def _ask(self, shown: Comparison, order: tuple[int, ...], sample: int) -> Ask:
        self.check(shown)
        return Ask(self, shown, order, sample, self.decided(shown))

    def check(self, comparison: Comparison) -> None:
        """Raise FathomError for a comparison whose number of responses does not fit the arity."""
        count, expected = len(comparison.responses), {"pointwise": 1, "pairwise": 2}.get(self.arity)
        if expected is not None and count != expected:
            raise FathomError(
                f"{type(self).__name__} judges {expected} at a time; comparison {comparison.id!r} has {count} "
                + ("response" if count == 1 else "responses")
                + (" (fathom rank compares more than 2)" if expected == 2 and count > 2 else "")
                + (" (for example libra, verifier, yes_no and spct judge a single one)" if count == 1 else "")
            )


def without_text(*responses: str) -> Vote | None:
    """An invalid vote if one of the responses is empty or white space, which models score like any text; else None.

    Chat templates may trim white space, so it is no more text than an empty response is.
    """
    if all(response.strip() for response in responses):
        return None
    return Vote(Status.INVALID, error="a response is empty or white space, so there is nothing to score")


def failed_vote(error: EngineError) -> Vote:
    """The vote of a failed call. Partial text is kept but never parsed."""
    partial = error.partial or Completion("")
    return Vote(
        Status.FAILED,
        text=partial.text,
        usage=error.usage,
        error=str(error),
        reasoning=partial.reasoning,
        retry_max_tokens=partial.retry_max_tokens,
    )


def merge_pointwise(votes: Sequence[Vote]) -> Vote:
    """Merge the n votes of a pointwise judge, each on a single response, into one vote. The highest score wins.

    If some of them are unreadable, the merged vote has the status of the first of these, and its error names them all.
    The merged vote keeps the single votes in `per_response`.
    """
    masses = [vote.residual_probability for vote in votes if vote.residual_probability is not None]
    merged = Vote(
        Status.OK,
        order=tuple(range(len(votes))),
        text="\n\n".join(vote.text for vote in votes),
        usage=sum((vote.usage for vote in votes), Usage()),
        retry_max_tokens=max(
            (vote.retry_max_tokens for vote in votes if vote.retry_max_tokens is not None), default=None
        ),
        residual_probability=fmean(masses) if masses else None,
        per_response=tuple(votes),
    )
    unreadable = [place for place, vote in enumerate(votes) if vote.status is not Status.OK]
    if unreadable:
        first = votes[unreadable[0]]
        which = f"of {len(votes)} responses, not readable: {', '.join(str(place + 1) for place in unreadable)}"
        return replace(merged, status=first.status, error=f"{which} ({first.error or first.status})")
    by_response = [vote.step_scores[0] for vote in votes if vote.step_scores]
    if len(by_response) == len(votes):
        merged = replace(merged, step_scores=tuple(by_response))
    scores = tuple(score for vote in votes for score in vote.scores or ())
    if len(scores) != len(votes):
        raise ValueError(
            f"expected exactly one score per vote of a pointwise judge; got {len(scores)} for {len(votes)} votes"
        )
    return replace(merged, winner=unique_argmax(scores), scores=scores)
