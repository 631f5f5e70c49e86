"""Lets SkyRL's own generator roll out the environment of docs/trainers.md, with a stand-in for the inference engine.

python skyrl_client.py URL
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import typing
from typing import Any

import typing_extensions
from page import judged, program
from stubs import stub

stub("ray", "vllm", "loguru", "jaxtyping")
typing.TypedDict = typing_extensions.TypedDict  # type: ignore[assignment]  # pydantic refuses the former before Python 3.12

from skyrl.train.config import GeneratorConfig, SkyRLGymConfig
from skyrl.train.generators.skyrl_gym_generator import SkyRLGymGenerator
from transformers import AutoTokenizer

from fathom.lab import base

PROMPT = [{"role": "user", "content": "evaluate 2 + 2"}]
TOKENIZER = AutoTokenizer.from_pretrained(base.PATH)


class Engine:
    """Answers each turn with the next text."""

    def __init__(self, *texts: str) -> None:
        self.texts = iter(texts)

    async def generate(self, asked: Any, model: str | None = None) -> dict[str, Any]:
        text = next(self.texts)
        ids = [*TOKENIZER.encode(text, add_special_tokens=False), TOKENIZER.eos_token_id]
        return {"responses": [text], "response_ids": [ids], "stop_reasons": ["stop"]}

    async def finish_session(self, session: str) -> None:
        """Nothing is kept."""


async def rollout(turns: int, *texts: str) -> Any:
    config = GeneratorConfig(max_turns=turns)
    generator = SkyRLGymGenerator(config, SkyRLGymConfig(max_env_workers=1), Engine(*texts), TOKENIZER)
    row = {"reward_spec": {"method": "rule", "ground_truth": "4"}}
    try:
        output = await generator.agent_loop(PROMPT, "judged", row, 64, 512)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    tokens = TOKENIZER.convert_ids_to_tokens(output.response_ids)
    return {"rewards": list(zip(tokens, output.reward, strict=True)), "metrics": output.env_metrics}


async def main(url: str) -> None:
    with judged(program("SkyRL", url)):
        environment: Any = importlib.import_module("judged").JudgedEnv
        results = {"one turn": await rollout(1, "answer 4"), "refuse": await rollout(1, "mumble")}
        environment.unscored = -1.0
        environment.reply = lambda self, action: [{"role": "user", "content": "evaluate 1 + 1"}]
        results["two turns"] = await rollout(2, "answer 4", "mumble")
    print(json.dumps(results))  # noqa: T201


asyncio.run(main(sys.argv[1]))
