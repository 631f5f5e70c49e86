"""The reward server over real HTTP: its own protocol, and what all protocols share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fastapi import APIRouter

from fathom import AsyncRewardClient, Comparison, EngineError, FathomError, Reward, RewardSettings, ScriptedEngine
from fathom.engines import Request
from fathom.engines.usage import Usage
from fathom.process.tables import Table
from fathom.rationale import Status
from fathom.rewards.tattoo import TaTToo
from fathom.serve.clients import Clients, TooManyRequests, read_tokens
from fathom.serve.core import Core, StrictJSONRoute
from fathom.serve.health import HOUR, Health, HourlyCap
from fathom.serve.service import Sample, Service, open_session
from fathom.settings import BoundSettings, EngineSettings, JudgeSettings, JudgingSettings, ServeSettings
from reward_server import reward_server, warms_up
from serving import HANG, Call, Reply, chat, serving

ITEM = {"prompt": "What is 2 + 2?", "responses": ["4", "5"]}
SAMPLES = [{"id": str(n), "prompt": "What is 2 + 2?", "response": str(n)} for n in range(4)]


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def smallest_wins(request: Request) -> str:
    """Prefers the response that is shown first in the order of the digits; fails for the response `fail`."""
    text = request.messages[-1]["content"]
    if "fail" in text and not warms_up(text):
        raise EngineError("the server is down")
    if "mumble" in text:
        return "I cannot say."
    first, second = (text.rfind(each) for each in ("\n4\n", "\n5\n"))
    return "Final verdict: [[A]]" if first < second else "Final verdict: [[B]]"


def rated(request: Request) -> str:
    """A pointwise rating of 1 to 5, for the judge prometheus: the number that the response consists of."""
    text = request.messages[-1]["content"]
    if "mumble" in text:
        return "Who knows."
    number = next((n for n in range(1, 6) if f"\n{n}\n" in text), 3)
    return f"Feedback: fine. [RESULT] {number}"


# Fathom's own protocol ------------------------------------------------------------------------------------------------


def test_answers_keep_order_and_ids_and_what_has_no_verdict_is_null() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(smallest_wins)) as server:
            items = [{"id": "x", **ITEM}, {**ITEM, "prompt": "mumble"}, {"id": 3, **ITEM, "prompt": "fail"}]
            status, answer, headers = await server.post("/v1/judgments", {"comparisons": items, "texts": True})
            assert status == 200
            entries = answer["judgments"]
            assert [(each["id"], each["status"]) for each in entries] == [("x", "ok"), (None, "missing"), (3, "failed")]
            assert [each["winner"] for each in entries] == [0, None, None]
            assert [each["scores"] for each in entries] == [[2.0, 0.0], None, None]
            assert [(each["votes"], each["votes_read"]) for each in entries] == [(2, 2), (2, 0), (2, 0)]
            assert "down" in entries[2]["error"]
            assert entries[0]["texts"][0]["text"] == "Final verdict: [[A]]"
            assert headers["x-fathom-reward"] == answer["reward"]["id"] == server.service.identity.id
            _, again, _ = await server.post("/v1/judgments", {"comparisons": items[:1]})
            assert [entries[0]["cached"], again["judgments"][0]["cached"]] == [False, True]

    run(main)


def test_rankings_have_scores_and_an_order() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(smallest_wins)) as server:
            item = {"id": "x", "prompt": "2 + 2?", "responses": ["5", "4"]}
            _, answer, _ = await server.post("/v1/rankings", {"comparisons": [item]})
            [entry] = answer["rankings"]
            assert (entry["order"], entry["winner"], entry["scores"]) == ([[1], [0]], 1, [0.0, 1.0])
            status, refused, _ = await server.post("/v1/rankings", {"comparisons": [{**item, "responses": ["4"]}]})
            assert status == 422
            assert "comparisons[0]" in refused["error"]["message"]

    run(main)


def test_a_pinned_reward_that_has_changed_is_refused() -> None:
    async def main() -> None:
        engine = ScriptedEngine(smallest_wins)
        async with reward_server(engine) as server, reward_server(engine, swap=False) as other:
            assert server.service.identity.id != other.service.identity.id
            pin = server.service.identity.id
            for pinned in ({"json": {"reward": pin}}, {"header": pin}):
                body = {"comparisons": [ITEM], **pinned.get("json", {})}  # type: ignore[dict-item]
                headers = {"x-fathom-reward": pin} if "header" in pinned else {}
                assert (await server.post("/v1/judgments", body, **headers))[0] == 200
                status, answer, _ = await other.post("/v1/judgments", body, **headers)
                assert status == 409
                assert other.service.identity.id in answer["error"]["message"]

    run(main)


def test_rewards_of_a_judge_of_single_responses_do_not_depend_on_other_samples() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            samples = [{"prompt": "p", "response": "2"}, {"prompt": "mumble", "response": "3"}]
            _, answer, _ = await server.post("/v1/rewards", {"samples": samples})
            first, second = answer["rewards"]
            assert (first["reward"], first["status"], first["group"]) == (2.0, "ok", 1)
            assert (second["reward"], second["status"]) == (None, "missing")

    run(main)


def test_correct_needs_a_threshold() -> None:
    async def main() -> None:
        with pytest.raises(FathomError, match="--reward correct needs a judge of single responses"):
            async with reward_server(ScriptedEngine(rated), rewards=RewardSettings(reward="correct")):
                pass

    run(main)


# Groups over several requests -----------------------------------------------------------------------------------------


def test_samples_of_several_requests_are_judged_together_when_their_group_is_complete() -> None:
    async def main() -> None:
        engine = ScriptedEngine(smallest_wins)
        async with reward_server(engine, window_ms=60_000) as server:
            before = len(engine.requests)
            samples = [{"prompt": "2 + 2?", "response": each} for each in ("4", "5")]
            bodies = [{"samples": [sample], "group_size": 2} for sample in samples]
            answers = await asyncio.gather(*(server.post("/v1/rewards", body) for body in bodies))
            rewards = [answer["rewards"][0] for _, answer, _ in answers]
            assert [each["reward"] for each in rewards] == [1.0, 0.0]
            assert all(each["group"] == 2 and not each["partial"] for each in rewards)
            assert len(engine.requests) - before == 2, "one pair, in both orders"

    run(main)


def test_a_group_that_stays_incomplete_is_judged_after_the_window_and_says_so() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(smallest_wins), window_ms=30) as server:
            samples = [{"prompt": "2 + 2?", "response": each} for each in ("4", "5")]
            _, answer, _ = await server.post("/v1/rewards", {"samples": samples, "group_size": 8})
            assert [(each["reward"], each["partial"]) for each in answer["rewards"]] == [(1.0, True), (0.0, True)]
            _, alone, _ = await server.post("/v1/rewards", {"samples": samples[:1]})
            [entry] = alone["rewards"]
            assert (entry["reward"], entry["status"]) == (None, "missing")
            assert "at least 2 responses" in entry["error"]

    run(main)


def test_groups_of_other_prompts_and_names_stay_apart() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(smallest_wins)) as server:
            samples = [
                {"prompt": prompt, "response": each, "group": group}
                for prompt, group in (("2 + 2?", "a"), ("2 + 2?", "b"), ("3 + 1?", "a"))
                for each in ("4", "5")
            ]
            _, answer, _ = await server.post("/v1/rewards", {"samples": samples})
            assert [each["reward"] for each in answer["rewards"]] == [1.0, 0.0] * 3
            assert {each["group"] for each in answer["rewards"]} == {2}

    run(main)


def test_a_baseline_replaces_the_group() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(smallest_wins), window_ms=60_000) as server:
            samples = [{"prompt": "2 + 2?", "response": "4", "baseline": "5"}]
            _, answer, _ = await server.post("/v1/rewards", {"samples": samples})
            assert answer["rewards"][0]["reward"] == 1.0

    run(main)


# Faults and limits ----------------------------------------------------------------------------------------------------


def test_a_judgment_that_is_late_fails_alone_and_its_call_is_cancelled() -> None:
    async def main() -> None:
        async with serving(lambda call: HANG if b"slow" in call.content else chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            async with reward_server(None, "prometheus", engine_settings=engine, deadline=0.5) as server:
                samples = [{"prompt": "slow", "response": "a"}, {"prompt": "quick", "response": "b"}]
                _, answer, _ = await server.post("/v1/rewards", {"samples": samples})
                slow, quick = answer["rewards"]
                assert (slow["status"], slow["reward"], quick["reward"]) == ("failed", None, 4.0)
                assert "deadline of 0.5 s" in slow["error"]
                await until(lambda: upstream.flying == 0)
                status, _, _ = await server.post("/v1/rewards", {"samples": []}, **{"x-fathom-deadline": "soon"})
                assert status == 400

    run(main)


def test_calls_are_cancelled_when_the_client_has_gone_unless_somebody_else_waits_for_them() -> None:
    async def main() -> None:
        async with serving(lambda call: HANG if b"slow" in call.content else chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            async with reward_server(None, "prometheus", engine_settings=engine) as server:
                body = {"samples": [{"prompt": "slow", "response": "a"}]}
                one, other = (asyncio.create_task(server.post("/v1/rewards", body)) for _ in range(2))
                await until(lambda: upstream.flying == 1 and server.service.session.cached.misses >= 2)
                await asyncio.sleep(0.05)
                one.cancel()
                await asyncio.sleep(0.1)
                assert upstream.flying == 1, "the other request waits for the same call"
                other.cancel()
                await until(lambda: upstream.flying == 0)
                _, metrics = await server.get("/metrics")
                assert 'fathom_requests_total{route="/v1/rewards",status="499"} 2.0' in metrics
                assert 'status="500"' not in metrics

    run(main)


def test_too_many_failures_open_the_breaker_which_answers_503() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(smallest_wins)) as server:
            body = {"comparisons": [{**ITEM, "prompt": f"fail {n}"} for n in range(30)]}
            status, answer, headers = await server.post("/v1/judgments", body)
            assert status == 200
            assert {each["status"] for each in answer["judgments"]} == {"failed"}
            status, answer, headers = await server.post("/v1/judgments", {"comparisons": [ITEM]})
            assert status == 503
            assert 0 < int(headers["retry-after"]) <= 30
            assert "judgments could not be scored" in answer["error"]["message"]
            assert (await server.get("/ready"))[0] == 503
            assert (await server.get("/health"))[0] == 200

    run(main)


def test_a_client_that_allows_too_little_time_does_not_open_the_breaker() -> None:
    async def main() -> None:
        async with serving(lambda call: HANG if b"slow" in call.content else chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url, hedge=False)
            async with reward_server(None, "prometheus", engine_settings=engine) as server:
                body = {"samples": [{"prompt": f"slow {n}", "response": "r"} for n in range(30)]}
                _, answer, _ = await server.post("/v1/rewards", body, **{"x-fathom-deadline": "0.05"})
                assert {each["status"] for each in answer["rewards"]} == {"failed"}
                status, answer, _ = await server.post("/v1/rewards", {"samples": [{"prompt": "p", "response": "r"}]})
                assert (status, answer["rewards"][0]["reward"]) == (200, 4.0)

    run(main)


CRITIQUE = "Final Judgement: {} First Error Step: {} Error Analysis: {}"


@pytest.mark.parametrize(("policy", "status"), [("warn", 200), ("require", 503)])
def test_a_verifier_that_misjudges_a_sum_is_reported_or_refused(
    policy: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        engine = ScriptedEngine(CRITIQUE.format("correct", "N/A", "N/A"))
        async with reward_server(engine, "mr_gsm8k", self_test=policy) as server:
            assert "misjudges '17 + 25 = 43'" in caplog.text
            got, _, _ = await server.post("/v1/rewards", {"samples": [{"prompt": "p", "response": "r"}]})
            assert got == (await server.get("/ready"))[0] == status

    run(main)


def test_a_verifier_that_passes_its_self_test_serves() -> None:
    def correct(request: Request) -> str:
        wrong = "= 43" in request.messages[-1]["content"]
        return CRITIQUE.format("wrong", "1", "The sum is 42.") if wrong else CRITIQUE.format("correct", "N/A", "N/A")

    async def main() -> None:
        async with reward_server(ScriptedEngine(correct), "mr_gsm8k", self_test="require") as server:
            assert (await server.get("/ready"))[0] == 200

    run(main)


def test_rewards_of_steps_are_those_of_the_judge_and_steps_must_be_the_response() -> None:
    async def main() -> None:
        engine = ScriptedEngine(CRITIQUE.format("wrong", "2", "The product is 8."))
        async with reward_server(engine, "mr_gsm8k") as server:
            sample = {"prompt": "2 * (2 + 2)?", "response": "2 + 2 = 4\n\n2 * 4 = 9\n\nSo 9."}
            steps = ["2 + 2 = 4\n\n", "2 * 4 = 9\n\n", "So 9."]
            _, answer, _ = await server.post("/v1/rewards", {"samples": [{**sample, "steps": steps}]})
            assert (answer["rewards"][0]["reward"], answer["rewards"][0]["step_rewards"]) == (0.0, [1.0, 0.0, None])
            status, answer, _ = await server.post("/v1/rewards", {"samples": [{**sample, "steps": steps[:2]}]})
            assert status == 422
            assert "together they are not the response" in answer["error"]["message"]
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            _, answer, _ = await server.post("/v1/rewards", {"samples": [sample]})
            assert answer["rewards"][0]["step_rewards"] is None

    run(main)


TABLE = Table(("year", "sales"), (("2020", "900"),)).written()
TYPED = {
    "prompt": f"Sales of 2020 and 100 more?\n\n{TABLE}",
    "response": "The cell says 900.\n\n900 + 100 = 1000.\n\nSo 1000.",
    "steps": ["The cell says 900.\n\n", "900 + 100 = 1000.\n\n", "So 1000."],
    "step_types": ["retrieval", "reasoning", None],
}


def as_comparison(sample: dict[str, Any]) -> dict[str, Any]:
    lists = {name: [sample[name]] for name in ("steps", "step_types") if name in sample}
    return {"prompt": sample["prompt"], "responses": [sample["response"]], **lists}


def test_the_types_of_steps_reach_the_judge_from_requests_as_from_rows() -> None:
    async def main() -> None:
        engine = ScriptedEngine("\\boxed{correct}")
        async with reward_server(engine, "tattoo") as server:
            started = len(engine.requests)
            status, answer, _ = await server.post("/v1/rewards", {"samples": [TYPED]})
            assert (status, answer["rewards"][0]["step_rewards"]) == (200, [1.0, 1.0, 1.0])
            asked = engine.requests[started:]
            comparison = Comparison.model_validate(as_comparison(TYPED))
            assert [each.messages[0]["content"] for each in asked] == [
                TaTToo().prompt(comparison, index, []) for index in (1, 2, 3)
            ]
            assert "takes something from the table" in asked[0].messages[0]["content"]
            async with AsyncRewardClient(server.url) as client:
                [judgment] = await client.judgments([comparison])
            assert judgment.cached, "the client sends the types of a comparison, and a judgment asks the same"
            untyped = {name: value for name, value in TYPED.items() if name != "step_types"}
            _, answer, _ = await server.post("/v1/rewards", {"samples": [untyped]})
            assert not answer["rewards"][0]["cached"], "without types, the prompts are others"

    run(main)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"step_types": ["retrieval"]}, "1 types of 3 steps"),
        ({"step_types": ["retrieval"] * 4}, "4 types of 3 steps"),
        ({"step_types": []}, "0 types of 3 steps"),
        ({"step_types": ["retrieval"], "steps": None}, "1 types of 0 steps"),
        ({"step_types": [1, 2, 3]}, "step_types"),
    ],
)
def test_another_number_of_types_than_of_steps_is_refused_and_nothing_is_asked(
    change: dict[str, Any], expected: str
) -> None:
    sample = {name: value for name, value in (TYPED | change).items() if value is not None}

    async def main() -> None:
        engine = ScriptedEngine("\\boxed{correct}")
        async with reward_server(engine, "tattoo") as server:
            started = len(engine.requests)
            status, answer, _ = await server.post("/v1/rewards", {"samples": [sample]})
            assert status == 422
            assert expected in answer["error"]["message"]
            status, answer, _ = await server.post("/v1/judgments", {"comparisons": [as_comparison(sample)]})
            assert status == 422
            assert "comparisons[0].step_types" in answer["error"]["message"]
            assert len(engine.requests) == started

    run(main)


@pytest.mark.parametrize("path", ["judgments", "rankings"])
def test_steps_of_another_number_of_responses_are_refused(path: str) -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine("\\boxed{correct}"), "processbench") as server:
            asked = as_comparison(TYPED) | {"responses": ["900", "1000"], "step_types": None}
            status, answer, _ = await server.post(f"/v1/{path}", {"comparisons": [{**ITEM}, asked]})
            assert status == 422
            assert "comparisons[1].steps: got steps of 1 responses" in answer["error"]["message"]

    run(main)


def test_a_server_whose_engine_stopped_tries_again() -> None:
    def answer(call: Call) -> Any:
        return chat("[RESULT] 4") if works else refusing

    async def main() -> None:
        nonlocal works
        async with serving(answer) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            async with reward_server(None, "prometheus", engine_settings=engine, breaker_seconds=0.2) as server:
                works = False
                body = {"samples": [{"prompt": "p", "response": str(n)} for n in range(16)]}
                while (await server.post("/v1/rewards", body))[0] == 200:
                    body = {"samples": [{"prompt": "p", "response": f"more {n}"} for n in range(16)]}
                works = True
                await until(lambda: server.service.health.refusal() is None and upstream.flying == 0)
                await asyncio.sleep(0.1)
                status, answered, _ = await server.post("/v1/rewards", {"samples": [{"prompt": "p", "response": "z"}]})
                assert (status, answered["rewards"][0]["reward"]) == (200, 4.0)

    works, refusing = True, Reply(401, b'{"error": {"message": "Incorrect API key provided."}}')
    run(main)


def test_the_breaker_closes_and_a_few_failures_do_not_open_it() -> None:
    now = 0.0
    health = Health(share=0.5, seconds=30, clock=lambda: now)
    for _ in range(19):
        health.record(scored=False)
    assert health.refusal() is None
    health.record(scored=False)
    refusal = health.refusal()
    assert refusal is not None
    assert refusal.retry_after == 30
    now = 30.0
    assert health.refusal() is None
    for _ in range(100):
        health.record(scored=True)
        health.record(scored=False)
    assert health.refusal() is None, "half of the judgments is not more than half"


def test_the_spending_of_an_hour_is_capped() -> None:
    used = 0.0
    cap = HourlyCap("tokens", 1000, lambda: used)
    assert cap.refusal(0.0) is None
    used = 999
    assert cap.refusal(HOUR / 2) is None
    used = 1000
    refusal = cap.refusal(HOUR / 2 + 1)
    assert refusal is not None
    assert refusal.retry_after is not None
    assert refusal.retry_after <= HOUR / 2
    assert cap.refusal(HOUR * 3 / 2) is None, "999 of the tokens are older than an hour"


def test_more_requests_than_the_capacity_are_refused_with_retry_after() -> None:
    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4", delay=0.5)) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            async with reward_server(None, "prometheus", engine_settings=engine, max_requests=8) as server:
                bodies = [{"samples": [{"prompt": "p", "response": str(n)}]} for n in range(80)]
                answers = await asyncio.gather(*(server.post("/v1/rewards", body) for body in bodies))
                statuses = [status for status, _, _ in answers]
                assert (statuses.count(200), statuses.count(429)) == (8, 72)
                assert all(headers["retry-after"] == "1" for status, _, headers in answers if status == 429)

    run(main)


def test_one_client_cannot_take_all_places_and_keeps_to_its_rate() -> None:
    now = 0.0
    clients = Clients(most=3, most_each=2, rate=10, clock=lambda: now)
    with clients.admitted("a"), clients.admitted("a"):
        with pytest.raises(TooManyRequests, match="the most that a client may have"), clients.admitted("a"):
            pass
        with (
            clients.admitted("b"),
            pytest.raises(TooManyRequests, match="the most it takes"),
            clients.admitted("c"),
        ):
            pass
    assert clients.total == 0
    for _ in range(10):  # a burst of one second
        with clients.admitted("d"):
            pass
    with pytest.raises(TooManyRequests, match="more than 10 requests per second"), clients.admitted("d"):
        pass
    now = 0.1
    with clients.admitted("d"):
        pass
    with pytest.raises(TooManyRequests), clients.admitted("d"):
        pass


def test_one_client_is_refused_while_others_are_served(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("token-of-client-one\ntoken-of-client-two\n")

    async def main() -> None:
        async with serving(lambda call: HANG if b"slow" in call.content else chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url, hedge=False)
            limits = {"client_requests": 2, "tokens": read_tokens(file)}
            async with reward_server(None, "prometheus", engine_settings=engine, **limits) as server:
                one, two = ({"authorization": f"Bearer token-of-client-{number}"} for number in ("one", "two"))
                slow = [{"samples": [{"prompt": f"slow {n}", "response": "r"}]} for n in range(2)]
                waiting = [asyncio.create_task(server.post("/v1/rewards", body, **one)) for body in slow]
                await until(lambda: upstream.flying >= 2)
                quick = {"samples": [{"prompt": "quick", "response": "r"}]}
                status, answer, headers = await server.post("/v1/rewards", quick, **one)
                assert (status, headers["retry-after"]) == (429, "1")
                assert "the most that a client may have" in answer["error"]["message"]
                assert (await server.post("/v1/rewards", quick, **two))[0] == 200
                for task in waiting:
                    task.cancel()

    run(main)


def test_an_hour_of_too_many_tokens_pauses_all_requests() -> None:
    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            async with reward_server(None, "prometheus", engine_settings=engine, hourly_tokens=40) as server:
                statuses = []
                for number in range(20):
                    body = {"samples": [{"prompt": "p", "response": str(number)}]}
                    status, answer, headers = await server.post("/v1/rewards", body)
                    statuses.append(status)
                assert statuses == sorted(statuses)
                assert {200, 503} == set(statuses)
                assert "of 40 tokens" in answer["error"]["message"]
                assert 0 < int(headers["retry-after"]) <= 3600
                assert (await server.get("/ready"))[0] == 503

    run(main)


def test_a_rate_below_one_request_per_second_permits_one() -> None:
    now = 0.0
    clients = Clients(most=9, most_each=9, rate=0.1, clock=lambda: now)
    for now in (0.0, 10.0, 20.0):  # noqa: B007 - read by the clock
        with clients.admitted("a"):
            pass
        with pytest.raises(TooManyRequests) as refused, clients.admitted("a"):
            pass
        assert refused.value.retry_after == 10


def test_an_hour_that_costs_too_much_pauses_all_requests(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("judge-7b: {prompt: 1000000, completion: 0}\n")  # a dollar per token

    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            settings = JudgingSettings(judge=JudgeSettings(judge="prometheus"), engine=engine)
            with pytest.raises(FathomError, match="--hourly-cost needs a price"):
                Service(open_session(settings), RewardSettings(), ServeSettings(hourly_cost=10))
            priced = settings.model_copy(update={"bounds": BoundSettings(prices=prices)})
            service = Service(open_session(priced), RewardSettings(), ServeSettings(hourly_cost=10))
            assert service.health.refusal() is None
            for number in range(2):  # of 7 tokens each
                await service.reward([Sample("p", str(number))], seconds=60)
            refusal = service.health.refusal()
            assert refusal is not None
            assert refusal.reason == "the last hour used 14 of 10 US dollars"
            await service.close()

    run(main)


@pytest.mark.parametrize(
    ("limits", "body", "message"),
    [
        ({"max_batch": 2}, {"samples": SAMPLES}, "at most 2: see --max-batch"),
        ({"max_item_tokens": 10}, {"samples": [{"prompt": "p" * 40, "response": "r"}]}, "samples.0. has about 13 tok"),
        ({"max_body": 1000}, {"samples": [{"prompt": "p" * 1000, "response": "r"}]}, "more than 1,000 bytes"),
        ({"max_responses": 2}, {"samples": [], "group_size": 3}, "see --max-responses"),
    ],
)
def test_what_is_too_large_is_refused_before_any_call(limits: dict[str, Any], body: Any, message: str) -> None:
    async def main() -> None:
        engine = ScriptedEngine(rated)
        async with reward_server(engine, "prometheus", **limits) as server:
            before = len(engine.requests)
            status, answer, _ = await server.post("/v1/rewards", body)
            assert status == 413
            assert re.search(message, answer["error"]["message"])
            assert len(engine.requests) == before

    run(main)


def test_a_group_of_too_many_responses_is_refused_for_judges_of_pairs() -> None:
    async def main() -> None:
        samples = [{"prompt": "p", "response": str(n)} for n in range(5)]
        async with reward_server(ScriptedEngine(smallest_wins), max_responses=4) as server:
            status, answer, _ = await server.post("/v1/rewards", {"samples": samples})
            assert status == 413
            assert "samples: 5 responses to one prompt, at most 4" in answer["error"]["message"]
        async with reward_server(ScriptedEngine(rated), "prometheus", max_responses=4) as server:
            assert (await server.post("/v1/rewards", {"samples": samples}))[0] == 200

    run(main)


def test_a_trace_is_continued_and_passed_on() -> None:
    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url)
            async with reward_server(None, "prometheus", engine_settings=engine) as server:
                trace = "0af7651916cd43dd8448eb211c80319c"
                body = {"samples": [{"prompt": "p", "response": "r"}]}
                sent = f"00-{trace}-b7ad6b7169203331-01"
                _, _, headers = await server.post("/v1/rewards", body, traceparent=sent)
                answered = headers["traceparent"]
                assert answered.split("-")[1] == trace
                assert answered != sent, "a span of its own"
                assert upstream.calls[-1].headers["traceparent"] == answered
                _, _, headers = await server.post("/v1/rewards", body, traceparent="00-0-0-01")
                assert headers["traceparent"].split("-")[1] != trace

    run(main)


def test_a_protocol_of_another_package_may_take_parameters_of_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    def router(core: Core) -> APIRouter:
        routes = APIRouter(route_class=StrictJSONRoute)

        @routes.post("/repeat")
        async def repeated(body: dict[str, Any], times: int = 1) -> dict[str, Any]:
            return {"values": [body["value"]] * times}

        return routes

    found = SimpleNamespace(names=lambda: ["another"], find=lambda name: router)
    monkeypatch.setattr("fathom.serve.app.DIALECTS", found)

    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            assert (await server.post("/repeat?times=2", {"value": 7}))[:2] == (200, {"values": [7, 7]})
            assert (await server.post("/repeat?times=x", {"value": 7}))[0] == 422
            assert (await server.post("/v1/rewards", {"samples": SAMPLES}))[0] == 200
            _, text = await server.get("/metrics")
            assert 'fathom_requests_total{route="/repeat",status="200"} 1.0' in text

    run(main)


@pytest.mark.parametrize("path", ["/number", "/object"])
def test_a_protocol_that_answers_a_number_that_is_not_finite_gets_an_internal_error(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def router(core: Core) -> APIRouter:
        routes = APIRouter(route_class=StrictJSONRoute)

        @routes.post("/number")
        async def number(body: dict[str, Any]) -> float:
            return 2 * float(body["value"])

        @routes.post("/object")
        async def in_an_object(body: dict[str, Any]) -> dict[str, Any]:
            return {"values": [(2 * body["value"],)]}

        return routes

    found = SimpleNamespace(names=lambda: ["another"], find=lambda name: router)
    monkeypatch.setattr("fathom.serve.app.DIALECTS", found)

    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            assert (await server.post(path, {"value": 7.0}))[0] == 200
            status, answer, _ = await server.post(path, {"value": 1e308})
            assert (status, answer["error"]["code"]) == (500, 500)

    run(main)


def test_a_web_socket_is_refused_and_breaks_nothing() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await server.http.ws_connect(f"{server.url}/v1/rewards")
            assert (await server.post("/v1/rewards", {"samples": SAMPLES}))[0] == 200

    run(main)


def test_metrics_count_judgments_by_status_and_contain_no_text() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), "prometheus") as server:
            samples = [{"prompt": "p", "response": "2"}, {"prompt": "mumble", "response": "3"}]
            await server.post("/v1/rewards", {"samples": samples})
            await server.post("/nowhere/secret-path", {})
            _, text = await server.get("/metrics")
            assert 'fathom_judgments_total{status="ok"} 1.0' in text
            assert 'fathom_judgments_total{status="missing"} 1.0' in text
            assert 'fathom_requests_total{route="/v1/rewards",status="200"} 1.0' in text
            assert "mumble" not in text
            assert "secret-path" not in text

    run(main)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_usage_of_a_reward_without_votes_is_zero() -> None:
    assert Reward(1.0, Status.OK).usage == Usage()
    with pytest.raises(ValueError, match="cannot have the value"):
        Reward(None, Status.OK)
    with pytest.raises(ValueError, match="cannot have the value"):
        Reward(0.0, Status.FAILED)


def test_slow_calls_do_not_delay_others() -> None:
    """A tenth of the calls hang; the others need half of the places that these leave free."""

    async def main() -> None:
        async with serving(lambda call: HANG if b"slow" in call.content else chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=upstream.url, hedge=False)
            async with reward_server(None, "prometheus", engine_settings=engine) as server:
                hanging = [{"samples": [{"prompt": f"slow {n}", "response": "r"}]} for n in range(8)]
                waiting = [asyncio.create_task(server.post("/v1/rewards", body)) for body in hanging]
                await until(lambda: upstream.flying >= 8)
                done = 0
                while done < 72:
                    bodies = [{"samples": [{"prompt": f"quick {done + n}", "response": "r"}]} for n in range(8)]
                    answers = await asyncio.gather(*(server.post("/v1/rewards", body) for body in bodies))
                    assert [answer["rewards"][0]["reward"] for _, answer, _ in answers] == [4.0] * 8
                    done += 8
                assert upstream.flying == 8, "all of the others were answered while these hung"
                for each in waiting:
                    each.cancel()
                await until(lambda: upstream.flying == 0)

    run(main)


def test_an_item_that_the_judge_cannot_judge_is_named_and_refused(tmp_path: Path) -> None:
    judge = tmp_path / "strict.py"
    judge.write_text(
        "import fathom\n"
        "class Strict(fathom.PrometheusJudge):\n"
        "    def ask(self, comparison):\n"
        "        if comparison.reference is None:\n"
        "            raise fathom.FathomError('expected a reference answer')\n"
        "        return super().ask(comparison)\n"
        "JUDGE = Strict\n"
    )

    async def main() -> None:
        async with reward_server(ScriptedEngine(rated), str(judge)) as server:
            samples = [{"prompt": "p", "response": "4", "reference": "r"}, {"prompt": "p", "response": "5"}]
            for path, body, where in (
                ("/v1/rewards", {"samples": samples}, "samples[1]"),
                ("/v1/judgments", {"comparisons": [{"prompt": "p", "responses": ["4"]}]}, "comparisons[0]"),
                ("/get_reward", {"query": ["p 4"], "prompts": ["p "]}, "query[0]"),
            ):
                status, answer, _ = await server.post(path, body)
                assert status == 422
                assert answer["error"]["message"] == f"{where}: expected a reference answer"
            assert server.service.health.refusal() is None, "a wrong request says nothing about the engine"

    run(main)


def test_a_replica_that_dies_under_load_costs_no_reward() -> None:
    async def main() -> None:
        async with AsyncExitStack() as dies, serving(lambda call: chat("[RESULT] 4", delay=0.05)) as lives:
            dying = await dies.enter_async_context(serving(lambda call: chat("[RESULT] 4", delay=0.05)))
            engine = EngineSettings(model="judge-7b", base_url=f"{dying.url},{lives.url}", hedge=False)
            async with reward_server(None, "prometheus", engine_settings=engine) as server:
                bodies = [{"samples": [{"prompt": "p", "response": str(n)}]} for n in range(60)]
                sent = [asyncio.create_task(server.post("/v1/rewards", body)) for body in bodies]
                await until(lambda: len(dying.calls) >= 8 and dying.flying > 0)
                await dies.aclose()  # its connections are cut, with calls in flight
                answers = await asyncio.gather(*sent)
                assert [answer["rewards"][0]["reward"] for _, answer, _ in answers] == [4.0] * 60
                assert len(dying.calls) >= 8

    run(main)


def test_a_dead_replica_of_the_model_costs_no_reward() -> None:
    async def main() -> None:
        async with serving(lambda call: chat("[RESULT] 4")) as upstream:
            engine = EngineSettings(model="judge-7b", base_url=f"http://127.0.0.1:9/v1,{upstream.url}")
            async with reward_server(None, "prometheus", engine_settings=engine) as server:
                bodies = [{"samples": [{"prompt": "p", "response": str(n)}]} for n in range(30)]
                answers = await asyncio.gather(*(server.post("/v1/rewards", body) for body in bodies))
                assert [answer["rewards"][0]["reward"] for _, answer, _ in answers] == [4.0] * 30

    run(main)
