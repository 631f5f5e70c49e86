"""Reward models that vote: `plan` says what must be asked, `gather` makes votes of the answers.

    asks = model.plan(comparison)                        # pure: which prompts, of which responses in which order
    votes = gather(asks, await complete(asks))           # pure, but for the calls between
    verdict = model.verdict(votes)

Because both are pure, the same reward model runs in this process, against a server, or on transcripts that somebody
else recorded. A generative judge writes neither: it writes `ask` and `read`, and both follow from these.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean
from typing import ClassVar, Literal

from fathom.data.records import Comparison
from fathom.engines import ChatMessage, Completion, Engine, EngineError, Request, Sampling
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges._probabilities import Choices, verdict_probabilities
from fathom.judges._rewards import verdict_reward
from fathom.judges._running import ResultOrder, bounded_gather, iterate, judge_all
from fathom.judges._verdict import Rule, Verdict, Vote, reduce_steps, unique_argmax
from fathom.rationale import Status

Pattern = Literal["pointwise", "pairwise", "listwise"]
"""How many responses one prompt shows: one, two, or any number."""

DEFAULT_RULES: Mapping[Pattern, Rule] = {
    "pointwise": Rule(aggregate="mean"),
    "listwise": Rule(aggregate="sum"),
    "pairwise": Rule(aggregate="majority"),
}
"""How votes become a verdict unless the judge says otherwise: ratings of a response are averaged, points that one text
gives to all responses are added up, and winners are counted."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of a judge's engine. The prompt is made when it is needed: plans of thousands of votes stay small."""

    judge: Judge
    comparison: Comparison
    """As it is shown: with the responses of this call alone, in the order of this call."""
    order: tuple[int, ...]
    """`order[k]` is the index, in the comparison that was planned, of the response shown in place k."""
    sample: int = 0
    """Fixes the random draws of the call, together with the seed."""
    vote: Vote | None = None
    """The vote, where it is known without a call."""

    @property
    def request(self) -> Request:
        return self.judge.request(self.comparison, self.sample)


async def complete(asks: Sequence[Ask]) -> list[Completion | EngineError | None]:
    """The completion of each ask by its judge's engine; the error of a call that failed; None where no call is needed.

    Raises ValueError for a judge without an engine.
    """
    return await bounded_gather(_completed, asks)


async def _completed(ask: Ask) -> Completion | EngineError | None:
    if ask.vote is not None:
        return None
    if ask.judge.engine is None:
        raise ValueError(f"{type(ask.judge).__name__} has no engine to ask; make it with engine=...")
    try:
        return await ask.judge.engine.complete(ask.request)
    except EngineError as error:
        return error


def gather(asks: Sequence[Ask], results: Sequence[Completion | EngineError | None]) -> list[Vote]:
    """The votes of a plan, about the responses in the order of the comparison that was planned.

    Calls that each show a single response of the same sample make one vote together (`merge_pointwise`). A failed call
    is a vote with status `failed`, never an exception.
    """
    votes: list[Vote] = []
    single: dict[int, Vote] = {}
    """The votes on single responses that are to be merged, by the index of the response, as they were asked for."""
    previous: Ask | None = None
    for ask, result in zip(asks, results, strict=True):
        vote = _vote(ask, result)
        if len(ask.order) > 1:
            votes.append(vote.unpermuted(ask.order))
            continue
        same = previous is not None and previous.judge is ask.judge and previous.sample == ask.sample
        if single and (not same or ask.order[0] in single):
            votes.append(_merged(single))
            single = {}
        single[ask.order[0]] = vote
        previous = ask
    return [*votes, _merged(single)] if single else votes


def _merged(single: Mapping[int, Vote]) -> Vote:
    votes = list(single.values())
    return votes[0] if len(votes) == 1 else merge_pointwise(votes).unpermuted(tuple(single))


def _vote(ask: Ask, result: Completion | EngineError | None) -> Vote:
    """The vote of one call, about the responses as they were shown."""
    shown = tuple(range(len(ask.order)))
    if ask.vote is not None:
        return replace(ask.vote, order=shown)
    if isinstance(result, Completion):
        return ask.judge.read_completion(result, ask.comparison)
    if result is None:
        return Vote(Status.FAILED, order=shown, error="no completion was recorded")
    return replace(failed_vote(result), order=shown)


class RewardModel:
    """What judges by votes: a `Judge`, or a wrapper of `fathom.voting`. `verdict = await model(comparison)`.

    Subclasses write `plan`, or `votes`.
    """

    @property
    def pattern(self) -> Pattern:
        return "pairwise"

    @property
    def rule(self) -> Rule:
        """How its votes become a verdict."""
        return DEFAULT_RULES[self.pattern]

    @property
    def threshold(self) -> float | None:
        """The lowest score at which it calls a single response right; a lower one calls it wrong.

        None where its scores only say which response is better.
        """
        return None

    @property
    def gives_scores(self) -> bool:
        """Whether its votes have scores; False where they only name a winner."""
        return True

    @property
    def scores_steps(self) -> bool:
        """Whether its votes score the steps of each response."""
        return False

    @property
    def needs(self) -> frozenset[str]:
        """What its engine must provide: `text`, `logprobs`, ..."""
        return frozenset({"text"})

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        """All calls that it may make about a comparison. Another `sample` gives other random draws, the same one the
        same. Raises FathomError for a comparison that it cannot judge.
        """
        raise NotImplementedError(f"{type(self).__name__} does not list its calls")

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        """The votes on a comparison, of the calls that `plan` lists.

        Overridden where later calls depend on the answers to earlier ones, or where not all votes are included.
        """
        asks = self.plan(comparison, sample)
        return gather(asks, await complete(asks))

    async def __call__(self, comparison: Comparison) -> Verdict:
        """Raises FathomError for votes without the scores or probabilities that the rule counts."""
        votes = await self.votes(comparison)
        try:
            return self.verdict(votes)
        except ValueError as error:
            raise FathomError(
                f"comparison {comparison.id!r}: {error}; the aggregate 'majority' needs neither"
            ) from error

    def verdict(self, votes: Sequence[Vote]) -> Verdict:
        """The verdict on one comparison by this model's rule and threshold. Raises ValueError, as `Rule` does."""
        return self.rule(votes, threshold=self.threshold)

    def run(
        self, comparisons: Iterable[Comparison], *, concurrency: int = 64, order: ResultOrder = "input"
    ) -> Iterator[tuple[Comparison, Verdict]]:
        """Judges from code that is not asynchronous, also in a notebook: `for comparison, verdict in judge.run(...)`.

        Verdicts come while others are still being made. To leave the loop early cancels what is in flight. A journal
        goes around the loop: `with CachedEngine(engine, "run.journal") as cached: ...`.
        """
        return iterate(judge_all(self, comparisons, concurrency=concurrency, order=order))


@dataclass(frozen=True, kw_only=True)
class Judge(RewardModel):
    """Subclasses write `ask` and `read`, and say how many responses `ask` takes; with an engine it casts one vote."""

    engine: Engine | None = None
    sampling: Sampling = field(default_factory=Sampling)
    rubric: str | None = None
    """Criteria to judge by, in the user's own words; they go before the prompt of `ask`."""
    pattern: ClassVar[Pattern] = "pairwise"
    threshold: ClassVar[float | None] = None
    gives_scores: ClassVar[bool] = True
    scores_steps: ClassVar[bool] = False
    choices: ClassVar[Choices] = {"A": 0, "B": 1, "C": None, "tie": None, "Tie": None}
    """How it spells its verdicts, for the probabilities of a vote: choices, and the response that each names."""

    @abstractmethod
    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        """The prompt. Never depends on the comparison's label."""

    @abstractmethod
    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """What a completion says. `finished` is False when the engine cut the text off at its token limit.

        Text, usage and the order of the responses are added to the vote by `read_completion`.
        """

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """What reinforcement learning pays for the vote, given the comparison's label: +1 or -1, unless overridden."""
        if comparison.label is None:
            raise ValueError(f"comparison {comparison.id!r} has no label to reward a verdict by")
        return verdict_reward(vote, comparison.label)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"text", "logprobs"} if self.sampling.top_logprobs or self.sampling.logprobs else {"text"})

    def prompt(self, comparison: Comparison) -> list[ChatMessage]:
        """The messages that the engine gets: those of `ask`, with the rubric at the beginning where there is one."""
        messages = self.ask(comparison)
        if not self.rubric:
            return messages
        # First, because a prompt ends with the format of the verdict, and so that all rows share the prefix.
        first = f"Judge by these criteria and by no others:\n\n{self.rubric.strip()}\n\n{messages[0]['content']}"
        return [{**messages[0], "content": first}, *messages[1:]]

    def request(self, comparison: Comparison, sample: int = 0) -> Request:
        return Request(tuple(self.prompt(comparison)), self.sampling, sample)

    def decided(self, comparison: Comparison) -> Vote | None:
        """The vote on a comparison that needs no model, such as an empty answer; None where the engine is asked."""
        return None

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        """One call; of a pointwise judge one for each response."""
        n = len(comparison.responses)
        if self.pattern == "pointwise" and n > 1:
            return [self._ask(comparison.subset((place,)), (place,), sample) for place in range(n)]
        return [self._ask(comparison, tuple(range(n)), sample)]

    def _ask(self, shown: Comparison, order: tuple[int, ...], sample: int) -> Ask:
        self.check(shown)
        return Ask(self, shown, order, sample, self.decided(shown))

    def read_completion(self, completion: Completion, comparison: Comparison) -> Vote:
        """The vote of a completion about the responses as they were shown: what `read` returns, with text and usage.

        A text that the model or its service declined to write is refused, whatever its words are.
        """
        read = partial(self.read, comparison=comparison, finished=completion.finish_reason == "stop")
        declined = completion.finish_reason in ("refusal", "content_filter")
        vote = _declined(completion) if declined else read(completion.text)
        if self.sampling.top_logprobs and vote.status is Status.OK:
            vote = self._with_probabilities(vote, completion, read, len(comparison.responses))
        if vote.scores is None and vote.step_scores is not None:
            vote = replace(vote, scores=reduce_steps(vote.step_scores, self.rule.steps))
        return replace(
            vote,
            order=tuple(range(len(comparison.responses))),
            text=completion.text,
            usage=completion.usage,
            reasoning=completion.reasoning or vote.reasoning,
            retry_max_tokens=completion.retry_max_tokens,
        )

    def _with_probabilities(self, vote: Vote, completion: Completion, read: Callable[[str], Vote], count: int) -> Vote:
        """The vote, with an error where it has no probabilities."""
        if not any(token.top for token in completion.logprobs or ()):
            return replace(vote, error="no probabilities: the engine returned no likely tokens")
        choices = {choice: index for choice, index in self.choices.items() if index is None or index < count}
        found = verdict_probabilities(
            completion.logprobs or (), completion.text, choices, vote, read, stops=self.sampling.stop
        )
        error = None if found else "no probabilities: no single token could be identified as the verdict's"
        return replace(vote, probabilities=found, error=error)

    def check(self, comparison: Comparison) -> None:
        """Raises FathomError for a comparison with another number of responses than the prompt shows."""
        count, takes = len(comparison.responses), {"pointwise": 1, "pairwise": 2}.get(self.pattern)
        if takes is not None and count != takes:
            raise FathomError(
                f"{type(self).__name__} judges {takes} at a time; comparison {comparison.id!r} has {count} "
                + ("response" if count == 1 else "responses")
                + (" (fathom rank compares more than 2)" if takes == 2 and count > 2 else "")
                + (" (libra, verifier, yes_no and spct, say, judge a single one)" if count == 1 else "")
            )


def _declined(completion: Completion) -> Vote:
    who = "the model declined" if completion.finish_reason == "refusal" else "the service filtered the content"
    said = f": {completion.text[:300]}" if completion.text else ""
    return Vote(Status.REFUSED, error=f"{who}{said}")


def failed_vote(error: EngineError) -> Vote:
    """The vote of a call that failed. Nothing is read from what was written before."""
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
    """One vote on n responses of the n votes that a pointwise judge cast on each alone. The best score wins.

    It can be read where each of them can; else it has the status of the first that cannot, and its error names those.
    The votes themselves are its `per_response`.
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
        named = f"of {len(votes)} responses, not readable: {', '.join(str(place + 1) for place in unreadable)}"
        return replace(merged, status=first.status, error=f"{named} ({first.error or first.status})")
    if any(vote.step_scores for vote in votes):
        merged = replace(merged, step_scores=tuple(steps for vote in votes for steps in vote.step_scores or ((),)))
    scores = tuple(score for vote in votes for score in vote.scores or ())
    if len(scores) != len(votes):
        raise ValueError("a pointwise judge gives the one response of a comparison one score")
    return replace(merged, winner=unique_argmax(scores), scores=scores)
