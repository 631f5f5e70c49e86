"""Runs verl's own reward code against reward servers: its loaders, managers, and its client for reward models.

python verl_client.py URL [URL_OF_A_JUDGE_OF_STEPS]
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any

from stubs import stub

stub("ray")
import ray

ray.get = lambda results: results

import numpy as np
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.reward_loop.reward_loop import RewardLoopManager, RewardLoopWorker
from verl.experimental.reward_loop.reward_manager.limited import RateLimitedRewardManager
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
from verl.trainer.ppo.reward import get_custom_reward_fn, load_reward_manager, resolve_reward_manager_cls

ADAPTER = "pkg://fathom.adapters.verl"
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


class StepTokenizer:
    """Some tokens end in the middle of a step, and one at its end."""

    words = ("<pad>", "2 + 2", " = 4", "\n\n", "so", " 5", "<eos>", "mumble")

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> str:
        return "".join(self.words[int(each)] for each in ids if each not in (0, 6))


STEPS = [[1, 2, 3, 4, 5, 6], [4, 5, 6, 0, 0, 0], [7, 6, 0, 0, 0, 0]]


def dense(url: str, chosen: dict[str, Any], ids: list[list[int]]) -> Any:
    """What verl's own manager of workers assembles, as where the reward model shares the trainer's resources."""
    function = {"path": ADAPTER, "name": "compute_score", "reward_kwargs": {"url": url, **chosen}}
    module = {"path": "pkg://fathom.adapters.verl_steps"}
    config = OmegaConf.create(
        {
            "reward": {
                "custom_reward_function": function,
                "reward_manager": {"source": "importlib", "name": "StepRewardManager", "module": module},
                "reward_model": {"enable": True, "enable_resource_pool": False},
            }
        }
    )
    worker = RewardLoopWorker.__new__(RewardLoopWorker)
    worker.config, worker.reward_manager = config, load_reward_manager(config, StepTokenizer())
    manager = RewardLoopManager.__new__(RewardLoopManager)
    manager.reward_model_manager = None
    manager.reward_manager_cls = resolve_reward_manager_cls(config)
    remote = SimpleNamespace(remote=lambda chunk: asyncio.run(worker.compute_score_batch(chunk)))
    manager.reward_loop_workers = [SimpleNamespace(compute_score_batch=remote)]
    try:
        scored = manager.compute_rm_score(batch_of_ids(ids))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    keys = scored.meta_info["reward_extra_keys"]
    extra = {key: scored.non_tensor_batch[key].tolist() for key in keys}
    return {"rm_scores": scored.batch["rm_scores"].tolist(), "extra": extra}


def batch_of_ids(ids: list[list[int]]) -> DataProto:
    responses = torch.tensor(ids)
    prompts = torch.zeros((len(ids), 1), dtype=torch.long)
    tensors = {
        "prompts": prompts,
        "responses": responses,
        "attention_mask": torch.cat([torch.ones_like(prompts), (responses > 0).long()], dim=1),
    }
    asked = np.empty(len(ids), dtype=object)
    for place in range(len(ids)):
        asked[place] = [{"role": "user", "content": "2 + 2?"}]
    return DataProto.from_dict(tensors=tensors, non_tensors={"raw_prompt": asked})


async def main(url: str) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, more in (("default", {}), ("chosen", {"unscored": -1.0})):
        function = {"path": ADAPTER, "name": "compute_score", "reward_kwargs": {"url": url, **more}}
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
    return results


results = asyncio.run(main(sys.argv[1]))
for judge in sys.argv[2:]:
    results["dense"] = dense(judge, {"unscored": -1.0}, STEPS)
    results["dense refused"] = dense(judge, {}, STEPS[2:])
print(json.dumps(results, default=str))  # noqa: T201
