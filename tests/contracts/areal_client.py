"""Lets AReaL's own wrapper call the function of docs/trainers.md in its processes.

python areal_client.py URL
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from page import judged, program

# areal imports its infrastructure, which its wrapper of rewards does not use.
areal = ModuleType("areal")
areal.__path__ = [str(Path(each) / "areal") for each in sys.path if (Path(each) / "areal").is_dir()]
sys.modules["areal"] = areal

from areal.api.reward_api import AsyncRewardWrapper

PROMPT = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"


async def rewarded(reward_fn: Any, word: str) -> Any:
    """As `RLVRWorkflow` calls it, with one try and 5 seconds."""
    wrapper = AsyncRewardWrapper(reward_fn, timeout_seconds=5, max_workers=1, max_retries=0)
    try:
        return await wrapper(PROMPT, f"{word}<|im_end|>", [1, 2], [3], answer="4", query_id="a")
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def main(url: str) -> None:
    with judged(program("AReaL", url)):
        reward_fn = importlib.import_module("judged").reward_fn
        results = {word: await rewarded(reward_fn, word) for word in ("4", "mumble")}
    print(json.dumps(results))  # noqa: T201


asyncio.run(main(sys.argv[1]))
