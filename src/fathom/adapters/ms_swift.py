"""Reward functions for ms-swift: for GRPO, for its sampling, and in place of a reward model's plug-in.

    # judged.py
    from swift.rewards import orms
    orms["judge"] = lambda args=None: SwiftReward(fathom.RewardClient("http://127.0.0.1:8090"))

    swift rlhf --rlhf_type grpo --external_plugins judged.py --reward_funcs judge

ms-swift gives the reward 0 to a response for which all reward functions return None, so by default one that could not
be scored raises FathomError, which ends the training.
Contract: swift/rewards, swift/rl_core/grpo_algorithm.py and swift/pipelines/sampling, version 4.6.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.adapters.samples import RewardSource, check_source, column, response_of, sample
from fathom.adapters.unscored import Unscored, checked, number
from fathom.errors import FathomError


@dataclass(eq=False)
class _Judged:
    source: RewardSource
    reference: str | None = None
    baseline: str | None = None
    group_size: int | None = None
    unscored: Unscored = "refuse"

    def __post_init__(self) -> None:
        check_source(self.source, "ms-swift", asynchronous=False)
        self.unscored = checked(self.unscored, "ms-swift", excludes=False)

    def _of_columns(self, conversations: Sequence[Sequence[Any]], columns: Mapping[str, Any]) -> list[float]:
        references = column(columns, self.reference, len(conversations))
        baselines = column(columns, self.baseline, len(conversations))
        return self._of_samples([_sample(*each) for each in zip(conversations, references, baselines, strict=True)])

    def _of_samples(self, samples: list[dict[str, Any]]) -> list[float]:
        answers = self.source.rewards(samples, group_size=self.group_size)
        return [number(answer, self.unscored) for answer in answers]


class SwiftReward(_Judged):
    """An outcome reward of `orms`, for `--reward_funcs`.

    `reference` and `baseline` name columns of the data set: a reference answer, and a response to compare with.
    `group_size` is `--num_generations`, which a server needs to judge groups that ms-swift has spread over several
    processes. Calls raise FathomError for a missing column, if the source cannot be reached, and if a response could
    not be scored and `unscored` is "refuse".
    """

    def __call__(self, completions: Sequence[Any], *, messages: Sequence[Sequence[Any]], **columns: Any) -> list[float]:
        """One reward per completion. `messages` has the conversations, which end with the completions."""
        return self._of_columns(messages, columns)


class SwiftPlugin(_Judged):
    """A plug-in of `rm_plugins`, for `--reward_model_plugin`, with the settings of `SwiftReward`.

    ms-swift loads the model of `--reward_model` first, which is not used.
    """

    def __call__(self, inputs: Sequence[Mapping[str, Any]], **_: Any) -> list[float]:
        """One reward per row, whose `messages` end with the completion."""
        columns = {key: [row.get(key) for row in inputs] for row in inputs for key in row}
        return self._of_columns([row["messages"] for row in inputs], columns)


class SwiftSamplingReward(_Judged):
    """A reward for `swift sample`, in `prms` (`--prm_model`) or `orms` (`--orm_model`).

    Step scores are reduced to one reward as the judge reduces them; of a list, ms-swift would take the minimum.
    """

    def __call__(
        self, infer_requests: Sequence[Any], ground_truths: Sequence[Any] | None = None, **_: Any
    ) -> list[float]:
        """One reward per request, whose messages end with the response. Ground truths are reference answers."""
        conversations = [_messages(request) for request in infer_requests]
        truths = ground_truths or [None] * len(conversations)
        return self._of_samples([_sample(*each) for each in zip(conversations, truths, strict=True)])


def _messages(request: Any) -> Sequence[Any]:
    messages: Sequence[Any] = request["messages"] if isinstance(request, Mapping) else request.messages
    return messages


def _sample(messages: Sequence[Any], reference: Any = None, baseline: Any = None) -> dict[str, Any]:
    """A conversation as a sample. Raises FathomError if it does not end with an answer of the assistant."""
    if len(messages) < 2:
        raise FathomError(f"messages: got {len(messages)}, expected a prompt and an answer of the assistant")
    return sample(messages[:-1], response_of(messages[-1:]), reference, baseline)
