"""Registers an environment with SkyRL's own gym, and steps it as SkyRL's generator does.

python skyrl_client.py URL
"""

from __future__ import annotations

import json
import sys
from typing import Any

import skyrl_gym
from skyrl_gym.envs.base_text_env import BaseTextEnv

from fathom import RewardClient
from fathom.adapters.skyrl import SkyRLReward

PROMPT = [{"role": "user", "content": "2 + 2?"}]
ROW = {"reward_spec": {"method": "rule", "ground_truth": "4"}, "max_turns": 1}


class JudgedEnv(SkyRLReward, BaseTextEnv):
    source = RewardClient(sys.argv[1])


class Chosen(JudgedEnv):
    unscored = -1.0


def episode(name: str, action: str) -> Any:
    env = skyrl_gym.make(name, env_config={}, extras=dict(ROW))
    prompt, _ = env.init(PROMPT)
    try:
        step = env.step(action)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    env.close()
    return {"prompt": prompt, "step": step, "metrics": type(env).aggregate_metrics([env.get_metrics()])}


def main() -> None:
    skyrl_gym.register(id="judged", entry_point=f"{__name__}:JudgedEnv")
    skyrl_gym.register(id="chosen", entry_point=f"{__name__}:Chosen")
    results = {f"{name} {word}": episode(name, word) for name in ("judged", "chosen") for word in ("4", "mumble")}
    print(json.dumps(results))  # noqa: T201


main()
