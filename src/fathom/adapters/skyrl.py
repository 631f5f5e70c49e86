"""An environment of SkyRL whose turns get their rewards from a reward model.

    # judged.py
    class JudgedEnv(SkyRLReward, BaseTextEnv):
        source = fathom.RewardClient("http://127.0.0.1:8090")

    skyrl_gym.register(id="judged", entry_point="judged:JudgedEnv")

An episode is one turn, unless `reply` is overridden. SkyRL has no value for a response that could not be scored, so by
default it raises FathomError, which ends the job.
Contract: skyrl/train/generators/skyrl_gym_generator.py, version 0.3.0; skyrl_gym/envs/base_text_env.py, version 0.4.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.adapters.samples import RewardSource, check_source, sample
from fathom.adapters.unscored import Unscored, checked, logged, number


class SkyRLReward:
    """Stands before `BaseTextEnv` in the bases of an environment, whose class attributes are the settings.

    `reward_spec.ground_truth` of a row is the reference answer, if it is a text. `group_size` is
    `generator.n_samples_per_prompt`, for judges of pairs and lists. Every turn is judged as the response to the
    conversation before it, and SkyRL puts its reward on its last token.
    """

    source: RewardSource
    group_size: int | None = None
    unscored: Unscored = "refuse"

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        row = extras or {}
        truth = (row.get("reward_spec") or {}).get("ground_truth")
        self.reference = truth if isinstance(truth, str) and truth else None
        self.most = row.get("max_turns")
        check_source(self.source, "SkyRL", asynchronous=False)
        self.policy = checked(self.unscored, "SkyRL", excludes=False)
        self.conversation: list[dict[str, str]] = []
        self.turn_logs: list[dict[str, float]] = []

    def init(self, prompt: Sequence[dict[str, str]]) -> tuple[Sequence[dict[str, str]], dict[str, Any]]:
        """Begin an episode with the prompt of a row."""
        self.conversation = list(prompt)
        return prompt, {}

    def reply(self, action: str) -> list[dict[str, str]]:
        """The messages of the environment after a turn of the policy. An empty list ends the episode."""
        return []

    def step(self, action: str) -> dict[str, Any]:
        """Judge a turn. Raises FathomError if the source cannot be reached, or by the policy `refuse`."""
        asked = [sample(self.conversation, action, self.reference)]
        [answer] = self.source.rewards(asked, group_size=self.group_size)
        self.turn_logs.append(logged(answer))
        replies = self.reply(action)
        self.conversation += [{"role": "assistant", "content": action}, *replies]
        done = not replies or (self.most is not None and len(self.turn_logs) >= self.most)
        return {
            "observations": [] if done else replies,
            "reward": number(answer, self.policy),
            "done": done,
            "metadata": self.turn_logs[-1],
        }

    def get_metrics(self) -> dict[str, float]:
        """The sums over the turns of the episode, which SkyRL logs."""
        return {key: sum(turn[key] for turn in self.turn_logs) for key in (self.turn_logs or [{}])[0]}
