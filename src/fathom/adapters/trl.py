"""A reward function for TRL's GRPOTrainer and RLOOTrainer.

    reward = TRLReward(fathom.RewardClient("http://127.0.0.1:8090"), reference="answer")
    GRPOTrainer(model=model, reward_funcs=reward, train_dataset=dataset)

A completion that could not be scored gets None, which TRL excludes from the rewards and the baseline of its group. The
share of such completions and the share of parsed votes are logged. If the server cannot be reached, an error ends the
training.
Contract: trl/trainer/grpo_trainer.py, version 1.16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fathom.data.conversations import as_messages, continuation
from fathom.errors import FathomError
from fathom.serve.messages import RewardAnswer


class RewardSource(Protocol):
    """A source of rewards: `RewardClient` and `LocalRewardClient` have this method."""

    def rewards(self, samples: Sequence[dict[str, Any]], *, group_size: int | None = None) -> list[RewardAnswer]: ...


@dataclass(eq=False)
class TRLReward:
    """A reward function that can be pickled and has a name.

    `reference` and `baseline` name columns of the data set: a reference answer, and a response to compare with.
    `group_size` is the number of completions per prompt, which a server needs to judge groups that TRL has spread over
    several processes. A call raises FathomError for a missing column, and if the source cannot be reached.
    """

    source: RewardSource
    name: str = "fathom"
    """TRL logs the mean reward under `rewards/NAME/mean`."""
    reference: str | None = None
    baseline: str | None = None
    group_size: int | None = None

    def __post_init__(self) -> None:
        self.__name__ = self.name

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        *,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One reward per completion; None if it could not be scored."""
        samples = [
            {"prompt": _prompt(prompt), "response": _response(completion)}
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        for field, column in (("reference", self.reference), ("baseline", self.baseline)):
            if column is not None:
                for sample, value in zip(samples, self._column(columns, column), strict=True):
                    sample[field] = None if value is None else str(value)
        answers = self.source.rewards(samples, group_size=self.group_size)
        if log_metric is not None:
            self._log(answers, log_metric)
        return [answer.reward for answer in answers]

    def _column(self, columns: dict[str, Any], name: str) -> Sequence[Any]:
        if name not in columns:
            known = ", ".join(sorted(columns)) or "none"
            raise FathomError(f"{self.name}: the data set has no column {name!r}; expected one of: {known}")
        values: Sequence[Any] = columns[name]
        return values

    def _log(self, answers: Sequence[RewardAnswer], log_metric: Callable[[str, float], None]) -> None:
        if not answers:
            return
        log_metric(f"{self.name}/unscored", sum(each.reward is None for each in answers) / len(answers))
        votes = sum(each.votes for each in answers)
        if votes:
            log_metric(f"{self.name}/votes_read", sum(each.votes_read for each in answers) / votes)


def _prompt(prompt: Any) -> Any:
    """The prompt as a text, or as messages with only role and content."""
    if isinstance(prompt, str):
        return prompt
    return [message.model_dump() for message in as_messages(prompt, "prompt")]


def _response(completion: Any) -> str:
    """The text of a completion. TRL passes messages for conversations; several turns become one text."""
    return (
        completion if isinstance(completion, str) else continuation(as_messages(completion, "completion"), "completion")
    )
