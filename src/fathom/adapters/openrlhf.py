"""A reward function for OpenRLHF in Python, without a server or with a client's pin, retries and groups.

    # judged.py
    reward_func = OpenRLHFReward(fathom.LocalRewardClient(settings), unscored=0.0)

    --reward.remote_url judged.py

OpenRLHF calls it with one query at a time. At an error it has no reward, and then fails on the batch if other responses
have one; so with the default policy, `refuse`, a response that could not be scored ends the job.
Contract: openrlhf/utils/agent.py, version 0.11.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fathom.adapters.samples import RewardSource, check_source, rendered_query
from fathom.adapters.unscored import Unscored, checked, logged, number


@dataclass(eq=False)
class OpenRLHFReward:
    """A function of queries (prompt and response as decoded text), prompts and labels.

    Labels that are texts are reference answers. `group_size` is `--rollout.n_samples_per_prompt`, for judges of pairs
    and lists; only a server can judge them, because OpenRLHF sends each response alone. A call raises FathomError if a
    query has no response, if the source cannot be reached, and by the policy `refuse`.
    """

    source: RewardSource
    group_size: int | None = None
    unscored: Unscored = "refuse"

    def __post_init__(self) -> None:
        check_source(self.source, "OpenRLHF", asynchronous=False)
        self.unscored = checked(self.unscored, "OpenRLHF", excludes=False)

    def __call__(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **_: Any
    ) -> dict[str, Any]:
        """`rewards`, `scores` and `extra_logs`, each with one number per query."""
        references = [label if isinstance(label, str) and label else None for label in labels]
        samples = [rendered_query(*each) for each in zip(queries, prompts, references, strict=True)]
        answers = self.source.rewards(samples, group_size=self.group_size)
        values = [number(answer, self.unscored) for answer in answers]
        logs = [logged(answer) for answer in answers]
        return {
            "rewards": values,
            "scores": values,
            "extra_logs": {key: [log[key] for log in logs] for key in (logs or [{}])[0]},
        }
