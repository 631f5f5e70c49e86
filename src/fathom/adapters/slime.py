"""A reward function for slime, and the hook that leaves responses without a reward out of the training.

    # judged.py
    reward = SlimeReward(fathom.AsyncRewardClient("http://127.0.0.1:8090"))

    --custom-rm-path judged.reward
    --custom-reward-post-process-path fathom.adapters.slime.post_process

slime needs a number for every response. One that could not be scored therefore gets NaN and `remove_sample`, which
masks its loss, and `post_process` computes the baseline of its group from the others. Without this hook, set `unscored`
to "refuse" or a number. slime retries nothing: an error ends the job.
Contract: slime/rollout/rm_hub/__init__.py and slime/ray/rollout.py, version 0.3.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from fathom.adapters.samples import AsyncRewardSource, check_source, rendered_sample, sample
from fathom.adapters.unscored import Unscored, checked, reward
from fathom.errors import FathomError

NORMALIZED = {"grpo", "gspo", "cispo", "reinforce_plus_plus_baseline"}
"""The advantage estimators for which slime subtracts the mean of the group."""
DIVIDED = {"grpo", "gspo", "cispo"}
"""Those for which it then divides by the standard deviation of the group."""
EPSILON = 1e-6


@dataclass(eq=False)
class SlimeReward:
    """A function of slime's arguments and of one sample, or of several (`--group-rm`).

    The `label` of a sample is the reference answer. `group_size` is `--n-samples-per-prompt`, for judges of pairs and
    lists without `--group-rm`. A call raises FathomError if the source cannot be reached, if the policy is `refuse` and
    a response could not be scored, and if the policy is `exclude` without the hook `post_process`.
    """

    source: AsyncRewardSource
    group_size: int | None = None
    unscored: Unscored = "exclude"

    def __post_init__(self) -> None:
        check_source(self.source, "slime", asynchronous=True)
        self.unscored = checked(self.unscored, "slime", excludes=True)

    async def __call__(self, args: Any, samples: Any, **_: Any) -> float | list[float]:
        """The reward of a sample, or those of a list of samples."""
        if self.unscored == "exclude" and not getattr(args, "custom_reward_post_process_path", None):
            raise FathomError(
                "unscored='exclude' needs --custom-reward-post-process-path fathom.adapters.slime.post_process; "
                "without it, set unscored to 'refuse' or a number"
            )
        several = isinstance(samples, Sequence)
        asked = list(samples) if several else [samples]
        answers = await self.source.rewards([_sample(each) for each in asked], group_size=self.group_size)
        values = [reward(answer, self.unscored) for answer in answers]
        for each, value in zip(asked, values, strict=True):
            if value is None:
                each.remove_sample = True
        numbers = [math.nan if value is None else value for value in values]
        return numbers if several else numbers[0]


def _sample(given: Any) -> dict[str, Any]:
    """A sample for Fathom from slime's. The prompt is a list of messages, or a text rendered by the chat template."""
    as_sample = rendered_sample if isinstance(given.prompt, str) else sample
    return as_sample(given.prompt, given.response, given.label)


def post_process(args: Any, samples: Sequence[Any]) -> tuple[list[float], list[float]]:
    """The rewards to log, and those to train on, normalized as slime does, but from the responses with a reward.

    A response without one is logged with the mean of its group, so that it moves no mean, and trained on with 0 and a
    masked loss. Raises FathomError if no response of the batch has a reward.
    """
    given = [float(each.get_reward_value(args)) for each in samples]
    known = [value for value in given if not math.isnan(value)]
    if given and not known:
        raise FathomError(f"none of {len(given)} responses could be scored; expected some: see the log of the server")
    raw, processed = list(given), list(given)
    for places in _groups(args, samples).values():
        scored = [given[place] for place in places if not math.isnan(given[place])]
        normal = iter(_normalized(args, scored))
        for place in places:
            missing = math.isnan(given[place])
            raw[place] = fmean(scored or known) if missing else given[place]
            processed[place] = 0.0 if missing else next(normal)
    return raw, processed


def _groups(args: Any, samples: Sequence[Any]) -> Mapping[int, list[int]]:
    """The places of the samples of each prompt."""
    groups: dict[int, list[int]] = {}
    for place, each in enumerate(samples):
        index = place // args.n_samples_per_prompt if each.group_index is None else each.group_index
        groups.setdefault(index, []).append(place)
    return groups


def _normalized(args: Any, scores: Sequence[float]) -> list[float]:
    """The rewards of a group minus their mean, and divided by their standard deviation with n - 1 in its denominator.

    A single reward has no deviation: the difference, 0, stays.
    """
    if args.advantage_estimator not in NORMALIZED or not args.rewards_normalization or not scores:
        return list(scores)
    mean = fmean(scores)
    divided = args.advantage_estimator in DIVIDED and args.grpo_std_normalization and len(scores) > 1
    scale = stdev(scores) + EPSILON if divided else 1.0
    return [(score - mean) / scale for score in scores]
