"""Runs ms-swift's own reward code with an external plug-in: its loader, the rewards of GRPO, and those of sampling.

python ms_swift_client.py URL
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stubs import stub

stub("modelscope", "openai")

import torch
from swift.arguments.base_args.base_args import BaseArguments
from swift.infer_engine import InferRequest
from swift.pipelines.sampling.utils import get_reward
from swift.rewards import orms, prms
from swift.rl_core.data import GRPOSample
from swift.rl_core.grpo_algorithm import compute_rewards_per_func

PLUG_IN = """
from swift.rewards import orms, prms

from fathom import RewardClient
from fathom.adapters.ms_swift import SwiftReward, SwiftSamplingReward

client = RewardClient({url!r})
orms["judge"] = lambda args=None: SwiftReward(client, reference="solution")
orms["chosen"] = lambda args=None: SwiftReward(client, reference="solution", unscored=-1)
prms["judge"] = lambda args=None: SwiftSamplingReward(client, unscored=-1)
"""


def messages(word: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": word}]


def rewarded(name: str, *words: str) -> Any:
    samples = [GRPOSample.from_row({"messages": messages(word), "solution": "4"}) for word in words]
    try:
        return compute_rewards_per_func(samples, [orms[name](args=None)], [None], torch.device("cpu")).tolist()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plug_in = Path(folder) / "judged.py"
        plug_in.write_text(PLUG_IN.format(url=url))
        BaseArguments._import_external_plugins(
            SimpleNamespace(external_plugins=[str(plug_in)], custom_register_path=[])
        )
    requests = [InferRequest(messages=messages(word)) for word in ("4", "mumble")]
    scores, kept = get_reward(prms["judge"](), requests, ground_truths=["4", "4"], threshold=0.0)
    results = {
        "judge": rewarded("judge", "4"),
        "refused": rewarded("judge", "4", "mumble"),
        "chosen": rewarded("chosen", "4", "mumble"),
        "sampling": [[float(each) for each in scores], [bool(each) for each in kept]],
    }
    print(json.dumps(results))  # noqa: T201


main(sys.argv[1])
