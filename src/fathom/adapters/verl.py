"""verl's `compute_score`, which gets its rewards from a reward server.

    reward.custom_reward_function.path=pkg://fathom.adapters.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.url=http://127.0.0.1:8090

verl calls it once per response, and passes the prompt only in `extra_info`: the data set must have it there, under
`prompt`, `question` or `raw_prompt`, or under the key `prompt_key`. verl has no value for a response that could not be
scored: its managers end the job at an error (naive) or make it 0.0 (rate_limited). So by default this raises
FathomError; if `unscored` is a number, it returns the number and logs it as such.
Contract: verl/experimental/reward_loop/reward_manager, version 0.9.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from fathom.adapters.samples import sample
from fathom.adapters.unscored import Unscored, checked, logged, number
from fathom.errors import FathomError
from fathom.serve.client import AsyncRewardClient

PROMPT_KEYS = ("prompt", "question", "raw_prompt")

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, AsyncRewardClient]] = WeakKeyDictionary()


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any = None,
    extra_info: Mapping[str, Any] | None = None,
    *,
    url: str = "http://127.0.0.1:8090",
    token_file: str | Path | None = None,
    pin: str | None = None,
    prompt_key: str | None = None,
    group_size: int | None = None,
    unscored: Unscored = "refuse",
    **_: Any,
) -> dict[str, float]:
    """The reward of a response as `score`, and numbers that verl logs. The keys are always the same.

    A `ground_truth` that is a text is used as the reference answer. For judges of pairs and lists, set `group_size` to
    `actor_rollout_ref.rollout.n`. Raises FathomError if there is no prompt, and if the response could not be scored and
    `unscored` is "refuse".
    """
    policy = checked(unscored, "verl", excludes=False)
    reference = ground_truth if isinstance(ground_truth, str) and ground_truth else None
    asked = sample(_prompt(extra_info or {}, prompt_key), solution_str, reference)
    [answer] = await shared_client(url, token_file, pin).rewards([asked], group_size=group_size)
    return {"score": number(answer, policy), **logged(answer)}


def _prompt(extra_info: Mapping[str, Any], key: str | None) -> Any:
    keys = PROMPT_KEYS if key is None else (key,)
    prompt = next((extra_info[each] for each in keys if extra_info.get(each) is not None), None)
    if prompt is None:
        known = ", ".join(map(str, extra_info)) or "nothing"
        raise FathomError(
            f"extra_info has {known}; expected the prompt under {' or '.join(keys)}; add it, or set prompt_key"
        )
    return prompt


def shared_client(url: str, token_file: str | Path | None, pin: str | None) -> AsyncRewardClient:
    """The client of this event loop and server; all calls share its connections."""
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    key = (url, str(token_file), pin)
    if key not in clients:
        clients[key] = AsyncRewardClient(url, token_file=token_file, pin=pin)
    return clients[key]
