"""Runs ms-swift's own code with the plug-in of docs/trainers.md: its loader, and the rewards of GRPO and sampling.

python ms_swift_client.py URL
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

from page import judged, program
from stubs import stub

stub("modelscope", "openai")

import torch
from swift.arguments.base_args.base_args import BaseArguments
from swift.infer_engine import InferRequest
from swift.pipelines.sampling.utils import get_reward
from swift.rewards import orms, prms, rm_plugins
from swift.rl_core.data import GRPOSample
from swift.rl_core.grpo_algorithm import compute_rewards_per_func

MORE = """
from swift.rewards import prms, rm_plugins

from fathom.adapters.ms_swift import SwiftPlugin, SwiftSamplingReward

client = RewardClient({url!r})
orms["chosen"] = lambda args=None: SwiftReward(client, reference="solution", unscored=-1)
prms["judge"] = lambda: SwiftSamplingReward(client, unscored=-1)
rm_plugins["judge"] = lambda model, template: SwiftPlugin(client, reference="solution", unscored=-1)
"""


def messages(word: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": word}]


def rewarded(function: Any, *words: str, plugin: Any = None) -> Any:
    samples = [GRPOSample.from_row({"messages": messages(word), "solution": "4"}) for word in words]
    try:
        return compute_rewards_per_func(samples, [function], [plugin], torch.device("cpu")).tolist()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(url: str) -> None:
    with judged(program("ms-swift", url) + MORE.format(url=url)) as file:
        BaseArguments._import_external_plugins(SimpleNamespace(external_plugins=[str(file)], custom_register_path=[]))
    requests = [InferRequest(messages=messages(word)) for word in ("4", "mumble")]
    scores, kept = get_reward(prms["judge"](), requests, ground_truths=["4", "4"], threshold=0.0)
    model = torch.nn.Identity()
    results = {
        "judge": rewarded(orms["judge"](args=None), "4"),
        "refused": rewarded(orms["judge"](args=None), "4", "mumble"),
        "chosen": rewarded(orms["chosen"](args=None), "4", "mumble"),
        "plugin": rewarded(model, "4", "mumble", plugin=rm_plugins["judge"](model=model, template=None)),
        "sampling": [[float(each) for each in scores], [bool(each) for each in kept]],
    }
    print(json.dumps(results))  # noqa: T201


main(sys.argv[1])
