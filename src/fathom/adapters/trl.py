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
from typing import Any

from fathom.adapters.samples import RewardSource, check_source, column, sample
from fathom.adapters.unscored import Unscored, checked, reason, reward
from fathom.serve.messages import RewardAnswer


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
    unscored: Unscored = "exclude"

    def __post_init__(self) -> None:
        self.__name__ = self.name
        check_source(self.source, "TRL", asynchronous=False)
        self.unscored = checked(self.unscored, "TRL", excludes=True)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        *,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One reward per completion; None if it could not be scored."""
        references = column(columns, self.reference, len(prompts))
        baselines = column(columns, self.baseline, len(prompts))
        samples = [sample(*each) for each in zip(prompts, completions, references, baselines, strict=True)]
        answers = self.source.rewards(samples, group_size=self.group_size)
        if log_metric is not None:
            self._log(answers, log_metric)
        return [reward(answer, self.unscored) for answer in answers]

    def _log(self, answers: Sequence[RewardAnswer], log_metric: Callable[[str, float], None]) -> None:
        if not answers:
            return
        log_metric(f"{self.name}/unscored", sum(reason(each) is not None for each in answers) / len(answers))
        votes = sum(each.votes for each in answers)
        if votes:
            log_metric(f"{self.name}/votes_read", sum(each.votes_read for each in answers) / votes)
