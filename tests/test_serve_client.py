"""The clients of the reward server: what they retry, what they refuse, and rewards without a server."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import (
    AsyncLocalRewardClient,
    AsyncRewardClient,
    Comparison,
    EngineSettings,
    FathomError,
    JudgeSettings,
    JudgingSettings,
    LocalRewardClient,
    RewardClient,
    ScriptedEngine,
)
from fathom.engines import Request
from reward_server import reward_server
from serving import HANG, Answer, Call, Reply, chat, serving

IDENTITY = {"id": "x-1", "model": "m", "judge": "x", "settings": "0"}
ENTRY = {
    "id": None,
    "status": "ok",
    "error": None,
    "votes": 1,
    "votes_read": 1,
    "cached": False,
    "tokens": {"prompt": 1, "completion": 1},
    "reward": 1.0,
    "group": 1,
    "partial": False,
}
SAMPLE = {"prompt": "p", "response": "r"}


def rewards(*entries: dict[str, Any]) -> Reply:
    return Reply(body=json.dumps({"reward": IDENTITY, "rewards": list(entries)}).encode())


def asked(answer: Answer, samples: list[dict[str, Any]], **options: Any) -> tuple[list[float | None], list[Call]]:
    async def main() -> tuple[list[float | None], list[Call]]:
        async with serving(answer) as server:
            url = server.url.removesuffix("/v1")
            async with AsyncRewardClient(url, first_backoff=0.01, **options) as client:
                answers = await client.rewards(samples)
            return [each.reward for each in answers], server.calls

    return asyncio.run(main())


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_failures_are_tried_again(status: int) -> None:
    values, calls = asked(lambda call: Reply(status) if call.turn == 0 else rewards(ENTRY), [SAMPLE])
    assert (values, len(calls)) == ([1.0], 2)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 501])
def test_refusals_are_not(status: int) -> None:
    seen: list[Call] = []

    def refuse(call: Call) -> Reply:
        seen.append(call)
        return Reply(status, b'{"error": {"message": "this is why"}}')

    with pytest.raises(FathomError, match=f"status {status}: this is why"):
        asked(refuse, [SAMPLE])
    assert len(seen) == 1


def test_retry_after_is_obeyed_and_is_no_try() -> None:
    wait = {"retry-after-ms": "50"}
    values, calls = asked(
        lambda call: Reply(503, headers=wait) if call.turn < 3 else rewards(ENTRY), [SAMPLE], retries=0
    )
    assert (values, len(calls)) == ([1.0], 4)
    assert all(later.time - earlier.time >= 0.05 for earlier, later in pairwise(calls))


def test_a_server_that_never_answers_is_given_up() -> None:
    with pytest.raises(FathomError, match="no answer after 3 tries; the last one: status 500"):
        asked(lambda call: Reply(500), [SAMPLE], retries=2)
    with pytest.raises(FathomError, match="the connection failed"):
        asyncio.run(AsyncRewardClient("http://127.0.0.1:9", retries=0).rewards([SAMPLE]))


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [ENTRY, ENTRY],
        [ENTRY | {"id": "b"}, ENTRY | {"id": "a"}],
        [ENTRY | {"id": "a", "reward": float("nan")}, ENTRY | {"id": "b"}],
        [ENTRY | {"id": "a", "reward": "1.0 or so"}, ENTRY | {"id": "b"}],
        [{"id": "a"}, {"id": "b"}],
    ],
    ids=["none", "other ids", "another order", "nan", "text", "fields missing"],
)
def test_an_answer_of_another_length_order_or_type_is_refused(entries: list[dict[str, Any]]) -> None:
    samples = [{"id": "a", **SAMPLE}, {"id": "b", **SAMPLE}]
    with pytest.raises(FathomError, match="the server's answer"):
        asked(lambda call: rewards(*entries), samples)


def test_many_samples_are_sent_in_batches_that_keep_groups_whole() -> None:
    sizes: list[int] = []

    def answer(call: Call) -> Reply:
        sent = call.fields["samples"]
        sizes.append(len(sent))
        return rewards(*(ENTRY | {"id": each["id"], "reward": float(each["id"])} for each in sent))

    # Each of 5 prompts has 3 responses, and they arrive in turns.
    samples = [{"id": n, "prompt": f"p{n % 5}", "response": str(n)} for n in range(15)]
    values, _ = asked(answer, samples, batch=7)
    assert values == [float(n) for n in range(15)]
    assert sorted(sizes) == [3, 6, 6]


def rated(request: Request) -> str:
    text = request.messages[-1]["content"]
    return "no rating" if "mumble" in text else "Feedback: fine. [RESULT] 4"


def test_a_client_speaks_with_a_real_server_from_synchronous_code_and_another_process() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:

            def ask() -> None:
                with RewardClient(server.url) as client:
                    values = client.rewards([SAMPLE, {"prompt": "mumble", "response": "r", "id": 7}])
                    assert [(each.reward, each.status) for each in values] == [(4.0, "ok"), (None, "missing")]
                    pin = client.identity().id
                with pickle.loads(pickle.dumps(RewardClient(server.url, pin=pin))) as pinned:
                    comparison = Comparison(prompt="p", responses=("a", "b"), label=1)
                    [judgment] = pinned.judgments([comparison], texts=True)
                    assert judgment.scores == [4.0, 4.0]
                    assert judgment.texts is not None
                    assert pinned.rankings([comparison])[0].order == [[0, 1]]
                with RewardClient(server.url, pin="other-1") as stale, pytest.raises(FathomError, match="409"):
                    stale.rewards([SAMPLE])

            await asyncio.to_thread(ask)

    asyncio.run(main())


def test_a_client_works_on_another_event_loop_and_after_a_fork() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:

            def ask() -> None:
                client = AsyncRewardClient(server.url)
                for _ in range(2):  # each run has a loop of its own
                    assert asyncio.run(client.rewards([SAMPLE]))[0].reward == 4.0
                forked = RewardClient(server.url)
                assert forked.rewards([SAMPLE])[0].reward == 4.0
                child = os.fork()
                if child == 0:
                    os._exit(0 if forked.rewards([SAMPLE])[0].reward == 4.0 else 1)
                assert os.waitpid(child, 0)[1] == 0

            await asyncio.to_thread(ask)

    asyncio.run(main())


def test_a_client_that_is_never_closed_is_silent_when_its_process_ends() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            program = (
                "import fathom\n"
                f"client = fathom.RewardClient({server.url!r})\n"
                "print(client.rewards([{'prompt': '2 + 2?', 'response': '4'}])[0].reward)"
            )
            ended = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            output, errors = await ended.communicate()
        assert (output.decode().strip(), errors.decode()) == ("4.0", "")

    asyncio.run(main())


def test_local_rewards_are_those_of_the_server() -> None:
    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            settings = JudgingSettings(judge=JudgeSettings(judge="prometheus"), engine=engine)
            samples = [SAMPLE | {"id": n} for n in range(3)]

            def ask() -> list[dict[str, Any]]:
                with pickle.loads(pickle.dumps(LocalRewardClient(settings))) as client:
                    return [each.model_dump() for each in client.rewards(samples)]

            local = await asyncio.to_thread(ask)
            async with (
                reward_server(None, "prometheus", engine_settings=engine) as server,
                AsyncRewardClient(server.url) as client,
            ):
                served = [each.model_dump() for each in await client.rewards(samples)]
            assert [each["id"] for each in served] == [0, 1, 2]
            assert local == served

    asyncio.run(main())


def test_local_rewards_name_what_is_wrong() -> None:
    client = LocalRewardClient(JudgingSettings(engine=EngineSettings(model="m", base_url="http://127.0.0.1:9/v1")))
    with pytest.raises(FathomError, match=r"samples\.0\.response: Field required"):
        client.rewards([{"prompt": "p"}])


def test_asynchronous_local_rewards_do_not_depend_on_the_callers_event_loop() -> None:
    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4")) as upstream:
            client = AsyncLocalRewardClient(local_settings("prometheus", upstream.url))

            def ask() -> None:
                for _ in range(2):  # each run has a loop of its own
                    assert asyncio.run(client.rewards([SAMPLE]))[0].reward == 4.0

            await asyncio.to_thread(ask)
            async with pickle.loads(pickle.dumps(client)) as copy:
                answers = await copy.rewards([SAMPLE | {"id": n} for n in range(3)])
                assert await copy.identity() == await client.identity()
            assert [(each.id, each.reward) for each in answers] == [(n, 4.0) for n in range(3)]
            await client.close()
            assert len(upstream.calls) == 2, "each client has a store of its own"

    asyncio.run(main())


def test_asynchronous_local_rewards_of_concurrent_calls_are_groups_for_a_judge_of_pairs() -> None:
    async def main() -> None:
        async with serving(lambda call: chat("Final verdict: [[A]]")) as upstream:
            samples = [{"prompt": "p", "response": str(n)} for n in range(3)]
            settings = local_settings("mix", upstream.url)
            async with AsyncLocalRewardClient(settings, window_ms=60_000) as client:
                answers = await asyncio.gather(*(client.rewards([each], group_size=3) for each in samples))
            assert [(each.group, each.partial) for [each] in answers] == [(3, False)] * 3
            async with AsyncLocalRewardClient(settings, window_ms=1) as client:
                answer = await client.rewards(samples[:2], group_size=3)
            assert [(each.group, each.partial) for each in answer] == [(2, True)] * 2

    asyncio.run(main())


def test_a_cancelled_call_of_an_asynchronous_local_client_ends_its_judgment() -> None:
    async def main() -> None:
        replies = iter([HANG, chat("[RESULT] 4")])
        async with serving(lambda call: next(replies)) as upstream:
            settings = local_settings("prometheus", upstream.url, options={"concurrency": 1})
            async with AsyncLocalRewardClient(settings) as client:
                waiting = asyncio.create_task(client.rewards([SAMPLE]))
                while not upstream.calls:
                    await asyncio.sleep(0.01)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                [answer] = await client.rewards([SAMPLE | {"prompt": "another"}])
            assert answer.reward == 4.0, "the cancelled call would have kept the only place"

    asyncio.run(asyncio.wait_for(main(), 60))


def local_settings(judge: str, url: str, **engine: Any) -> JudgingSettings:
    settings = EngineSettings(model="judge-7b", base_url=url, **engine)
    return JudgingSettings(judge=JudgeSettings(judge=judge), engine=settings)
