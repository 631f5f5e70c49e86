"""Trainers' own code asks the reward server. `make contracts` installs the trainers and runs these tests."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import ScriptedEngine
from fathom.engines import Request
from reward_server import Running, reward_server

pytestmark = pytest.mark.contract

HERE = Path(__file__).parent
BUILT = Path(os.environ.get("FATHOM_CONTRACTS", HERE.parent / ".contracts"))
LOGGED = {"votes": 1.0, "votes_read": 1.0}


def rated(request: Request) -> str:
    return "Who knows." if "mumble" in request.messages[-1]["content"] else "[RESULT] 4"


async def client(trainer: str, *urls: str) -> Any:
    """What the trainer's code got from the servers, in a process of its own."""
    if not (BUILT / trainer).is_dir():
        pytest.skip(f"needs make contracts, which installs {trainer}")
    path = os.pathsep.join([str(BUILT / trainer), str(HERE / "contracts"), os.environ.get("PYTHONPATH", "")])
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "contracts" / f"{trainer}_client.py"),
        *urls,
        env={**os.environ, "PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await started.communicate()
    assert started.returncode == 0, errors.decode()[-2000:]
    return json.loads(output.decode().splitlines()[-1])


def serving(**options: Any) -> Any:
    return reward_server(ScriptedEngine(rated), "prometheus", **options)


def test_openrlhf_gets_a_reward_from_one_server_and_from_several() -> None:
    async def main() -> None:
        one: Running
        other: Running
        chosen = {"unscored": "substitute", "unscored_reward": -1.0}
        async with serving() as one, serving(**chosen) as other:
            for urls, cached in (([one.url], 0.0), ([one.url, one.url], 1.0)):
                results = (await client("openrlhf", *urls))["server"]
                logs = {"unscored": [0.0], "votes": [1.0], "votes_read": [1.0], "cached": [cached]}
                assert results["4"] == {"reward": [4.0], "scores": [4.0], "extra_logs": logs}
                assert results["mumble"]["reward"] is None
            results = (await client("openrlhf", other.url))["server"]
            assert results["mumble"]["reward"] == [-1.0]
            assert results["mumble"]["extra_logs"]["unscored"] == [1.0]

    asyncio.run(main())


def test_openrlhf_loads_a_file_with_the_function() -> None:
    async def main() -> None:
        async with serving() as server:
            results = await client("openrlhf", server.url)
        logs = {"unscored": [0.0], "votes": [1.0], "votes_read": [1.0]}
        for policy in ("refused", "chosen"):
            assert results[policy]["4"] == {"reward": [4.0], "scores": [4.0], "extra_logs": logs}
        assert results["refused"]["mumble"] == {"reward": None, "scores": None, "extra_logs": {}}
        assert results["chosen"]["mumble"]["reward"] == [-1.0]
        assert results["chosen"]["mumble"]["extra_logs"]["unscored"] == [1.0]

    asyncio.run(main())


def test_verl_loads_the_function_and_its_managers_log_what_it_returns() -> None:
    async def main() -> None:
        async with serving() as server:
            results = await client("verl", server.url)
        good = {"reward_score": 4.0, "reward_extra_info": {"score": 4.0, "unscored": 0.0, **LOGGED}}
        for manager in ("NaiveRewardManager", "RateLimitedRewardManager"):
            for policy in ("default", "chosen"):
                assert results[f"{manager} {policy}"][0] == good
            missing = results[f"{manager} chosen"][1]
            assert missing["reward_score"] == missing["reward_extra_info"]["score"] == -1.0
            assert missing["reward_extra_info"]["unscored"] == 1.0
        assert "could not be scored" in results["NaiveRewardManager default"][1], "naive ends the job"
        # verl's own choice, which docs/serving.md warns of.
        limited = results["RateLimitedRewardManager default"][1]
        assert limited["reward_score"] == 0.0
        assert "could not be scored" in limited["reward_extra_info"]["error"]

    asyncio.run(main())


def test_verl_reads_the_server_as_a_reward_model_on_vllm() -> None:
    async def main() -> None:
        async with serving() as server:
            assert (await client("verl", server.url))["RewardLoopWorker"] == {"reward_score": 4.0}

    asyncio.run(main())


def checked(request: Request) -> str:
    """The first wrong step: the second one, if the answer has one; 0 is the first."""
    text = request.messages[-1]["content"]
    return "Who knows." if "mumble" in text else f"\\boxed{{{int('= 4' in text)}}}"


def test_verl_assembles_the_rewards_of_steps_on_their_last_tokens() -> None:
    async def main() -> None:
        async with serving() as plain, reward_server(ScriptedEngine(checked), "processbench") as server:
            results = await client("verl", plain.url, server.url)
        dense = results["dense"]
        assert dense["rm_scores"] == [
            [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],  # the first step is right and ends with the blank line, the second is wrong
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, 0.0, 0.0, 0.0],  # not scored: the number stands on the last token
        ]
        assert dense["extra"]["unscored"] == [0.0, 0.0, 1.0]
        assert dense["extra"]["steps"] == [2.0, 1.0, 1.0]
        assert "could not be scored" in results["dense refused"]

    asyncio.run(main())


def test_ms_swift_loads_a_plug_in_and_computes_its_rewards() -> None:
    async def main() -> None:
        async with serving() as server:
            results = await client("ms_swift", server.url)
        assert results["judge"] == [[4.0]]
        assert "could not be scored" in results["refused"]
        assert results["chosen"] == results["plugin"] == [[4.0], [-1.0]]
        assert results["sampling"] == [[4.0, -1.0], [True, False]]

    asyncio.run(main())


def test_skyrls_generator_puts_the_reward_of_a_turn_on_its_last_token() -> None:
    async def main() -> None:
        async with serving() as server:
            results = await client("skyrl", server.url)
        answer = [["<|unknown|>", 0.0], [" 4", 0.0], ["<|end|>", 4.0]]
        assert results["one turn"] == {"rewards": answer, "metrics": {"unscored": 0.0, **LOGGED}}
        assert "could not be scored" in results["refuse"]
        both = results["two turns"]["rewards"]
        assert both[:3] == answer
        assert both[-1] == ["<|end|>", -1.0]
        assert len(both) > 4
        assert [reward for _, reward in both[3:-1]] == [0.0] * len(both[3:-1])
        assert results["two turns"]["metrics"] == {"unscored": 1.0, "votes": 2.0, "votes_read": 1.0}

    asyncio.run(main())


def test_verifiers_scores_a_trace_and_records_the_error_of_one_without_a_score() -> None:
    async def main() -> None:
        async with serving() as server:
            results = await client("verifiers", server.url)
        assert results["method 4"] == {"rewards": {"judged": [4.0, 0.5]}, "errors": []}
        assert results["named 4"] == {"rewards": {"judged": [4.0, 2.0]}, "errors": []}
        for name in ("method", "named"):
            assert results[f"{name} mumble"]["rewards"] == {"judged": None}
            [error] = results[f"{name} mumble"]["errors"]
            assert error.startswith("TaskError")
            assert "could not be scored" in error

    asyncio.run(main())


def test_areal_calls_the_function_in_its_processes() -> None:
    async def main() -> None:
        async with serving() as server:
            results = await client("areal", server.url)
        assert results["4"] == 4.0
        assert "could not be scored" in results["mumble"]

    asyncio.run(main())
