"""Judges: reward models that write text. `ask` makes the prompt and `read` parses the completion."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.engines import Answer, Capability, ChatMessage, Completion, Request, Sampling
from fathom.errors import FathomError
from fathom.judges._probabilities import Choices, verdict_probabilities
from fathom.judges._reward_model import EngineRewardModel, RewardModel
from fathom.judges._rewards import required_label, verdict_reward
from fathom.judges._verdict import Vote, scored_by_steps
from fathom.rationale import Status


@dataclass(frozen=True, kw_only=True)
class Judge(EngineRewardModel):
    """A generative judge: implements `ask` (prompt) and `read` (parser), and sets `arity`. Casts one vote."""

    sampling: Sampling = field(default_factory=Sampling)
    rubric: str | None = None
    """The user's criteria, which are placed before the prompt of `ask`."""
    choices: ClassVar[Choices] = {"A": 0, "B": 1, "C": None, "tie": None, "Tie": None}
    """The spellings of verdicts, with the response that each names (None: a tie), used to find their probabilities."""

    @abstractmethod
    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        """The prompt. Must not depend on the comparison's label."""

    @abstractmethod
    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """Parse a completion. `finished` is False if the text was cut off at the token limit.

        `read_completion` adds text, usage and order to the vote.
        """

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """The reward of a vote in reinforcement learning, by the comparison's label: +1 or -1 unless overridden.

        Raises FathomError without a label, and ValueError for a label that cannot reward a vote of this judge.
        """
        return verdict_reward(vote, required_label(comparison))

    def check_label(self, comparison: Comparison) -> None:
        """Raise FathomError for a comparison whose label cannot reward a vote of this judge."""
        try:
            self.vote_reward(Vote(Status.MISSING), comparison)
        except ValueError as error:
            raise FathomError(f"comparison {comparison.id!r}: {error}") from error

    def demonstration(self, vote: Vote) -> str:
        """The text to learn from a vote in supervised fine-tuning: what the model wrote, unless overridden."""
        return vote.text

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"text", "logprobs"} if self.sampling.top_logprobs or self.sampling.logprobs else {"text"})

    def prompt(self, comparison: Comparison) -> list[ChatMessage]:
        """The messages sent to the engine: those of `ask`, with the rubric in front if there is one."""
        messages = self.ask(comparison)
        if not self.rubric:
            return messages
        # In front, because a prompt ends with the format of the verdict, and because all rows then share the prefix.
        first = f"Judge by these criteria and by no others:\n\n{self.rubric.strip()}\n\n{messages[0]['content']}"
        return [{**messages[0], "content": first}, *messages[1:]]

    def request(self, comparison: Comparison, sample: int = 0) -> Request:
        return Request(tuple(self.prompt(comparison)), self.sampling, sample)

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[Request, ...]:
        return (self.request(comparison, sample),)

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        (completion,) = answers
        if not isinstance(completion, Completion):
            raise TypeError(f"{type(self).__name__} reads completions; got {type(completion).__name__}")
        return self.read_completion(completion, comparison)

    def read_completion(self, completion: Completion, comparison: Comparison) -> Vote:
        """Parse a completion into a complete vote, with indices that refer to the responses as shown.

        A completion that the model or its service declined to write is `refused`, whatever its text.
        """
        read = partial(self.read, comparison=comparison, finished=completion.finish_reason == "stop")
        declined = completion.finish_reason in ("refusal", "content_filter")
        vote = _declined(completion) if declined else read(completion.text)
        if self.sampling.top_logprobs and vote.status is Status.OK:
            vote = self._with_probabilities(vote, completion, read, len(comparison.responses))
        if vote.scores is None:
            vote = scored_by_steps(vote, self.rule.steps)
        return replace(
            vote,
            order=tuple(range(len(comparison.responses))),
            text=completion.text,
            usage=completion.usage,
            reasoning=completion.reasoning or vote.reasoning,
            retry_max_tokens=completion.retry_max_tokens,
        )

    def _with_probabilities(self, vote: Vote, completion: Completion, read: Callable[[str], Vote], count: int) -> Vote:
        """The vote with its probabilities, or with an error that explains why there are none."""
        if not any(token.top for token in completion.logprobs or ()):
            return replace(vote, error="no probabilities: the engine returned no top log-probabilities")
        choices = {choice: index for choice, index in self.choices.items() if index is None or index < count}
        probabilities = verdict_probabilities(
            completion.logprobs or (), completion.text, choices, vote, read, stops=self.sampling.stop
        )
        error = None if probabilities else "no probabilities: no single token could be identified as the verdict's"
        return replace(vote, probabilities=probabilities, error=error)


def _declined(completion: Completion) -> Vote:
    reason = "the model declined" if completion.finish_reason == "refusal" else "the service filtered the content"
    return Vote(Status.REFUSED, error=f"{reason}: {completion.text[:300]}" if completion.text else reason)


def as_judge(model: RewardModel, purpose: str) -> Judge:
    """The model itself. Raises FathomError if it writes no text, which `purpose` needs."""
    if not isinstance(model, Judge):
        raise FathomError(f"{purpose} needs a judge that writes text; {type(model).__name__} writes none")
    return model
