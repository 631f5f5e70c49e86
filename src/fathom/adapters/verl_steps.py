"""A reward manager for verl that rewards every step of a response, on the last token of the step.

    reward.reward_manager.source=importlib
    reward.reward_manager.name=StepRewardManager
    reward.reward_manager.module.path=pkg://fathom.adapters.verl_steps
    reward.custom_reward_function.path=pkg://fathom.adapters.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.url=http://127.0.0.1:8090
    reward.reward_model.enable=True
    reward.reward_model.enable_resource_pool=False

verl assembles rewards of tokens only where it judges whole batches: with a reward model in the trainer's resource pool,
which it loads, and a custom reward function, which it does not call then. Elsewhere it has one number per response, so
the manager refuses other configurations. GRPO sums the rewards of a response's tokens, which favours many steps.
Contract: verl/experimental/reward_loop/reward_loop.py, version 0.9.1.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fathom.adapters.samples import sample
from fathom.adapters.unscored import checked, logged, number, reason
from fathom.adapters.verl import shared_client
from fathom.data.steps import spans, split
from fathom.errors import FathomError
from fathom.serve.messages import RewardAnswer


class StepRewardManager:
    """Asks a server whose judge scores steps. The settings are `reward.custom_reward_function.reward_kwargs`.

    These are `url`, `token_file`, `pin` and `unscored` as in `fathom.adapters.verl.compute_score`, and `splitter`, how
    responses are split into steps (`paragraphs`). Raises FathomError for configurations in which verl would not take
    rewards of tokens.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
        _check(config["reward"])
        settings: Mapping[str, Any] = config["reward"]["custom_reward_function"].get("reward_kwargs") or {}
        self.tokenizer = tokenizer
        self.policy = checked(settings.get("unscored", "refuse"), "verl", excludes=False)
        self.splitter = settings.get("splitter", "paragraphs")
        self.server = (settings.get("url", "http://127.0.0.1:8090"), settings.get("token_file"), settings.get("pin"))

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The rewards of the tokens of a response, and numbers that verl logs.

        A step that the judge did not score, such as one after the first error, gives no reward. If the whole response
        could not be scored, a number as `unscored` stands on its last token. Raises FathomError by the policy `refuse`,
        and if the judge scores no steps.
        """
        row = data[-1:][0]
        length = row.batch["responses"].shape[-1]
        ids = row.batch["responses"][: int(row.batch["attention_mask"][-length:].sum())].tolist()
        text = self._decoded(ids)
        steps = split(text, self.splitter)
        asked = sample(list(row.non_tensor_batch["raw_prompt"]), text, _reference(row.non_tensor_batch))
        [answer] = await shared_client(*self.server).rewards([asked | {"steps": list(steps)}])
        place = asyncio.get_running_loop().run_in_executor
        ends = await place(None, last_tokens, ids, [end for _, end in spans(steps)], self._decoded)
        return {
            "reward_score": self._of_tokens(answer, ends, len(ids)),
            "reward_extra_info": {"score": number(answer, self.policy), **logged(answer), "steps": float(len(steps))},
        }

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _of_tokens(self, answer: RewardAnswer, ends: Sequence[int], count: int) -> list[float]:
        rewards = [0.0] * count
        if reason(answer) is not None:
            rewards[-1:] = [number(answer, self.policy)] * (count > 0)
            return rewards
        if answer.step_rewards is None:
            raise FathomError(
                "the judge of the server scores no steps; serve one that does, such as processbench, or use another "
                "reward manager with fathom.adapters.verl.compute_score"
            )
        for end, step in zip(ends, answer.step_rewards, strict=True):
            rewards[end] += step or 0.0
        return rewards

    @classmethod
    def assemble_rm_scores(cls, data: Any, scores: Sequence[Sequence[float]]) -> Any:
        """The rewards of tokens of a batch as a float tensor (batch, response length), with 0 after the responses."""
        responses = data.batch["responses"]
        width = responses.shape[-1]
        return responses.float().new_tensor([[*row, *[0.0] * (width - len(row))] for row in scores])


def last_tokens(ids: Sequence[int], ends: Sequence[int], decoded: Callable[[Sequence[int]], str]) -> list[int]:
    """The index of the token with which the decoded text first reaches each of the character positions `ends`.

    The length of a decoded prefix grows with its tokens, so each is found by bisection.
    """
    found: list[int] = []
    for end in ends:
        first = found[-1] if found else 0
        later = range(first, len(ids))
        found.append(min(first + bisect_left(later, end, key=lambda last: len(decoded(ids[: last + 1]))), len(ids) - 1))
    return found


def _check(reward: Mapping[str, Any]) -> None:
    model = reward["reward_model"]
    if not model["enable"] or model["enable_resource_pool"]:
        raise FathomError(
            "verl takes rewards of tokens only with reward.reward_model.enable=True and enable_resource_pool=False; "
            f"got enable={model['enable']} and enable_resource_pool={model['enable_resource_pool']}; "
            "for one reward per response, use fathom.adapters.verl.compute_score"
        )
    if not reward["custom_reward_function"].get("path"):
        raise FathomError(
            "without reward.custom_reward_function.path, verl asks its reward model and not this manager; set it to "
            "pkg://fathom.adapters.verl"
        )


def _reference(row: Mapping[str, Any]) -> str | None:
    truth = (row.get("reward_model") or {}).get("ground_truth")
    return truth if isinstance(truth, str) and truth else None
