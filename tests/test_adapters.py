"""Rewards in the forms in which trainers call them: TRL itself trains with one, verl's is loaded as verl loads it."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import inspect
import math
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import (
    EngineSettings,
    FathomError,
    JudgeSettings,
    JudgingSettings,
    LocalRewardClient,
    ScriptedEngine,
    adapters,
)
from fathom.adapters import verl
from fathom.adapters.trl import TRLReward
from fathom.engines import Request
from reward_server import reward_server
from serving import chat, serving
from sources import Recorded


def test_adapters_import_no_trainer_and_no_web_framework() -> None:
    modules = [f"fathom.adapters.{each.name}" for each in pkgutil.iter_modules(adapters.__path__)]
    assert len(modules) >= 9
    code = (
        f"import sys, {', '.join(modules)}\n"
        "trainers = {'trl', 'verl', 'openrlhf', 'swift', 'skyrl_gym', 'slime', 'verifiers'}\n"
        "loaded = (trainers | {'torch', 'transformers', 'fastapi', 'uvicorn'}) & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_trl_rewards_keep_none_and_take_texts_conversations_and_columns() -> None:
    source, metrics = Recorded(), {}
    reward = TRLReward(source, name="judge", reference="answer")
    assert reward.__name__ == "judge"
    turns = [{"role": "user", "content": "Hi"}]
    values = reward(
        prompts=["p", turns],
        completions=["c 0.5", [{"role": "assistant", "content": "Hello"}]],
        completion_ids=[[1], [2]],
        answer=[4, None],
        trainer_state=None,
        log_metric=metrics.__setitem__,
    )
    assert values == [0.5, None]
    assert source.samples == [
        {"prompt": "p", "response": "c 0.5", "reference": "4"},
        {"prompt": turns, "response": "Hello"},
    ]
    assert metrics == {"judge/unscored": 0.5, "judge/votes_read": 0.5}
    with pytest.raises(FathomError, match="the data set has no column 'answer'; expected one of: solution"):
        reward(prompts=["p"], completions=["c"], solution=["4"])


def test_trl_rewards_can_be_pickled() -> None:
    settings = JudgingSettings(engine=EngineSettings(model="mini"))
    copy = pickle.loads(pickle.dumps(TRLReward(LocalRewardClient(settings), name="judge", group_size=8)))
    assert (copy.__name__, copy.group_size, copy.source.settings) == ("judge", 8, settings)


@pytest.mark.filterwarnings("ignore")
def test_trl_trains_with_it_and_leaves_out_what_could_not_be_scored(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from tiny import make_checkpoint

    async def judged(url: str) -> dict[str, float]:
        engine = EngineSettings(model="judge-7b", base_url=url)
        settings = JudgingSettings(judge=JudgeSettings(judge="prometheus"), engine=engine)
        rewards: list[float | None] = []

        class Noting(TRLReward):
            def __call__(self, *arguments: Any, **named: Any) -> list[float | None]:
                values = super().__call__(*arguments, **named)
                rewards.extend(values)
                return values

        def train() -> dict[str, float]:
            with LocalRewardClient(settings) as client:
                config = GRPOConfig(
                    output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=4, num_generations=4,
                    max_completion_length=4, use_cpu=True, logging_steps=1, report_to="none", save_strategy="no",
                )  # fmt: skip
                trainer = GRPOTrainer(
                    model=str(make_checkpoint(tmp_path / "model")), args=config,
                    reward_funcs=Noting(client, name="judge"),
                    train_dataset=Dataset.from_dict({"prompt": ["a b c", "c b a"]}),
                )  # fmt: skip
                trainer.train()
                logs: dict[str, float] = trainer.state.log_history[0]
                return logs

        logs = await asyncio.to_thread(train)
        known = [each for each in rewards if each is not None]
        assert len(rewards) == 4
        assert 0 < len(known) < 4, "the server rates every other completion"
        assert math.isclose(logs["rewards/judge/mean"], sum(known) / len(known), rel_tol=1e-5)
        return logs

    async def main() -> dict[str, float]:
        seen = 0

        def answer(call: Any) -> Any:
            nonlocal seen
            seen += 1
            return chat(f"[RESULT] {1 + seen // 2}" if seen % 2 else "Who knows.")

        async with serving(answer) as upstream:
            return await judged(upstream.url)

    assert 0 < asyncio.run(main())["judge/unscored"] < 1


# verl -----------------------------------------------------------------------------------------------------------------


def rated(request: Request) -> str:
    return "Who knows." if "mumble" in request.messages[-1]["content"] else "[RESULT] 4"


def test_verl_loads_the_file_and_awaits_a_reward_with_constant_keys() -> None:
    # As verl's `get_custom_reward_fn`: the module is loaded from its path under a name of its own.
    spec = importlib.util.spec_from_file_location("custom_module", verl.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            compute = functools.partial(module.compute_score, url=server.url)
            assert inspect.iscoroutinefunction(compute)
            info = {"question": "2 + 2?", "index": 0, "num_turns": None, "rollout_reward_scores": {}}
            given = {"data_source": "gsm8k", "ground_truth": "4", "extra_info": info}
            scored = await compute(solution_str="4", reward_router_address="x", **given)
            assert scored == {"score": 4.0, "unscored": 0.0, "votes": 1.0, "votes_read": 1.0}
            with pytest.raises(FathomError, match="could not be scored"):
                await compute(solution_str="mumble", **given)
            chosen = await compute(solution_str="mumble", unscored=-1.0, **given)
            assert chosen == {"score": -1.0, "unscored": 1.0, "votes": 1.0, "votes_read": 0.0}
            with pytest.raises(FathomError, match="expected the prompt under prompt or question or raw_prompt"):
                await compute(solution_str="4", data_source="gsm8k", ground_truth="4", extra_info={"index": 0})
            await module.shared_client(server.url, None, None).close()

    asyncio.run(main())


def test_verl_passes_conversations_under_the_key_that_was_named() -> None:
    async def main() -> None:
        engine = ScriptedEngine(rated)
        async with reward_server(engine, "prometheus") as server:
            info = {"chat": [{"role": "user", "content": "What is 2 + 2?"}]}
            await verl.compute_score("x", "4", None, info, url=server.url, prompt_key="chat")
            assert "What is 2 + 2?" in engine.requests[-1].messages[-1]["content"]
            await verl.shared_client(server.url, None, None).close()

    asyncio.run(main())
