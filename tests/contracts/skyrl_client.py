"""Registers the environment of docs/trainers.md with SkyRL's own gym, and steps it as SkyRL's generator does.

python skyrl_client.py URL
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import skyrl_gym
from page import judged, program

PROMPT = [{"role": "user", "content": "2 + 2?"}]
ROW = {"reward_spec": {"method": "rule", "ground_truth": "4"}, "max_turns": 1}


def episode(action: str) -> Any:
    env = skyrl_gym.make("judged", env_config={}, extras=dict(ROW))
    prompt, _ = env.init(PROMPT)
    try:
        step = env.step(action)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    env.close()
    return {"prompt": prompt, "step": step, "metrics": type(env).aggregate_metrics([env.get_metrics()])}


def main(url: str) -> None:
    with judged(program("SkyRL", url)):
        environment: Any = importlib.import_module("judged").JudgedEnv
        results = {f"refuse {word}": episode(word) for word in ("4", "mumble")}
        environment.unscored = -1.0
        results |= {f"number {word}": episode(word) for word in ("4", "mumble")}
    print(json.dumps(results))  # noqa: T201


main(sys.argv[1])
