"""Runs OpenRLHF's own rollout code against reward servers: one generation, and the request for its reward.

python openrlhf_client.py URL [URL...]
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import openrlhf
import torch

# openrlhf.utils imports deepspeed, which its client for rewards does not use.
utils = ModuleType("openrlhf.utils")
utils.__path__ = [f"{openrlhf.__path__[0]}/utils"]
sys.modules["openrlhf.utils"] = utils

from openrlhf.utils.agent import SingleTurnAgentExecutor

WORDS = ["2 + 2? ", "4", "mumble", "<eos>"]


class Tokenizer:
    """One token per text of `WORDS`."""

    def __call__(self, text: str, **_: Any) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.tensor([[WORDS.index(text)]])}

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return "".join(WORDS[each] for each in ids)


class Engine:
    """Generates one word, and the end of the text."""

    def __init__(self, word: str) -> None:
        self.word = word

    async def generate(self, ids: list[int], params: Any, **_: Any) -> Any:
        tokens = [WORDS.index(self.word), WORDS.index("<eos>")]
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=tokens, finish_reason="stop", logprobs=None)])


async def main(urls: list[str]) -> None:
    params = SimpleNamespace(max_tokens=16, logprobs=None)
    results = {}
    for word in ("4", "mumble"):
        executor = SingleTurnAgentExecutor([f"{url}/get_reward" for url in urls])
        output = await executor.execute("2 + 2? ", "4", params, 64, Tokenizer(), Engine(word))
        results[word] = {name: output[name] for name in ("reward", "scores", "extra_logs")}
    print(json.dumps(results))  # noqa: T201


asyncio.run(main(sys.argv[1:]))
