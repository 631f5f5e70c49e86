"""Runs verl's own reward code against a reward server: its loader, two managers, and its client for reward models.

python verl_client.py URL
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any

from stubs import stub

stub("ray")

import numpy as np
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.experimental.reward_loop.reward_manager.limited import RateLimitedRewardManager
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
from verl.trainer.ppo.reward import get_custom_reward_fn

from fathom.adapters import verl as adapter

WORDS = ["<pad>", "4", "mumble"]


class Tokenizer:
    """One token per word of `WORDS`."""

    eos_token, bos_token = "<eos>", None

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> str:
        return " ".join(WORDS[int(each)] for each in ids)

    def apply_chat_template(self, chat: Any, **_: Any) -> str:
        return "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in chat)


def batch(word: str) -> DataProto:
    columns = {
        "data_source": "sums",
        "reward_model": {"ground_truth": "4"},
        "extra_info": {"question": "2 + 2?", "index": 0},
        "raw_prompt": [{"role": "user", "content": "2 + 2?"}],
    }
    objects = {}
    for name, value in columns.items():
        objects[name] = np.empty(1, dtype=object)
        objects[name][0] = value
    ids = torch.tensor([[WORDS.index(word)]])
    tensors = {"prompts": torch.tensor([[0]]), "responses": ids, "attention_mask": torch.tensor([[1, 1]])}
    return DataProto.from_dict(tensors=tensors, non_tensors=objects)


async def scored(manager: Any, word: str) -> Any:
    try:
        return await manager.run_single(batch(word))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def main(url: str) -> None:
    results: dict[str, Any] = {}
    for name, more in (("default", {}), ("chosen", {"unscored": -1.0})):
        function = {"path": adapter.__file__, "name": "compute_score", "reward_kwargs": {"url": url, **more}}
        config = OmegaConf.create({"reward": {"custom_reward_function": function}})
        for kind in (NaiveRewardManager, RateLimitedRewardManager):
            manager = kind(config=config, tokenizer=Tokenizer(), compute_score=get_custom_reward_fn(config))
            results[f"{kind.__name__} {name}"] = [await scored(manager, word) for word in ("4", "mumble")]
    worker = RewardLoopWorker.__new__(RewardLoopWorker)
    worker.reward_router_address = url.removeprefix("http://")
    worker.input_tokenizer = worker.reward_model_tokenizer = Tokenizer()
    model = SimpleNamespace(rollout=SimpleNamespace(name="vllm"), model_path="any")
    worker.config = SimpleNamespace(reward=SimpleNamespace(reward_model=model))
    results["RewardLoopWorker"] = await worker.compute_score_disrm(batch("4"))
    print(json.dumps(results, default=str))  # noqa: T201


asyncio.run(main(sys.argv[1]))
