"""Runs OpenRLHF's own rollout code: one generation, and its reward, from servers and from a function in a file.

python openrlhf_client.py URL [URL...]
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
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


FUNCTION = """
from fathom import RewardClient
from fathom.adapters.openrlhf import OpenRLHFReward

reward_func = OpenRLHFReward(RewardClient({url!r}), {more})
"""


async def rewarded(endpoints: list[str]) -> dict[str, Any]:
    params = SimpleNamespace(max_tokens=16, logprobs=None)
    results = {}
    for word in ("4", "mumble"):
        executor = SingleTurnAgentExecutor(endpoints)
        output = await executor.execute("2 + 2? ", "4", params, 64, Tokenizer(), Engine(word))
        results[word] = {name: output[name] for name in ("reward", "scores", "extra_logs")}
    return results


async def main(urls: list[str]) -> None:
    results = {"server": await rewarded([f"{url}/get_reward" for url in urls])}
    with tempfile.TemporaryDirectory() as folder:
        for name, more in (("refused", ""), ("chosen", "unscored=-1.0")):
            file = Path(folder) / f"{name}.py"
            file.write_text(FUNCTION.format(url=urls[0], more=more))
            results[name] = await rewarded([str(file)])
    print(json.dumps(results))  # noqa: T201


asyncio.run(main(sys.argv[1:]))
