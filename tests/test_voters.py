"""Voters as values: judges of one and of many responses, other orders, other rules, and judging without `async`."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison
from fathom.engines import BaseEngine, ChatMessage, Completion, EngineError, Request
from fathom.engines.cache import CachedEngine
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Arity, Judge, Rule, Vote
from fathom.judges.mix import MixJudge
from fathom.ranking import rank
from fathom.rationale import Status
from fathom.voting.wrappers import Repeated, Shuffled, WithRule


@dataclass
class Lengths(BaseEngine):
    """Writes the number of characters of each line it is asked about, and fails where one says so."""

    requests: list[Request] = field(default_factory=list)
    identity: str = "lengths"

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        lines = request.messages[0]["content"].splitlines()
        if "fail" in lines:
            raise EngineError("told to")
        return Completion(" ".join("?" if line == "blank" else str(len(line)) for line in lines), usage=Usage(1, 1))


@dataclass(frozen=True, kw_only=True)
class Listwise(Judge):
    """Scores each response by its length."""

    arity: ClassVar[Arity] = "listwise"

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="sum")

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        return [{"role": "user", "content": "\n".join(comparison.responses)}]

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        if not re.fullmatch(r"[\d ]+", text):
            return Vote(Status.MISSING, text=text)
        scores = tuple(map(float, text.split()))
        winner = scores.index(max(scores)) if len(scores) > 1 and scores.count(max(scores)) == 1 else None
        return Vote(Status.OK, winner=winner, scores=scores, text=text)


class Pointwise(Listwise):
    arity: ClassVar[Arity] = "pointwise"


def comparison(*responses: str, id: str = "c") -> Comparison:
    return Comparison(id=id, prompt="p", responses=responses)


lines = st.text("abc", min_size=1, max_size=9)


@given(st.lists(lines, min_size=1, max_size=5))
def test_a_pointwise_judge_scores_n_responses_as_a_listwise_one_with_n_prompts(responses: list[str]) -> None:
    alone, together = Lengths(), Lengths()
    one = asyncio.run(Pointwise(engine=alone)(comparison(*responses)))
    other = asyncio.run(Listwise(engine=together)(comparison(*responses)))
    assert one.scores == other.scores == tuple(map(len, responses))
    assert one.winner == other.winner
    assert (len(alone.requests), len(together.requests)) == (len(responses), 1)
    assert one.usage == Usage(len(responses), len(responses))


@pytest.mark.parametrize(
    ("response", "status"), [pytest.param("fail", "failed", id="failed"), pytest.param("blank", "missing", id="blank")]
)
def test_one_response_that_cannot_be_scored_leaves_no_score_for_any(response: str, status: str) -> None:
    verdict = asyncio.run(Pointwise(engine=Lengths())(comparison("aa", response, "a")))
    assert (verdict.status, verdict.winner, verdict.scores) == (status, None, None)


@given(st.lists(lines, min_size=2, max_size=5, unique=True), st.integers(0, 3))
def test_orders_are_shuffled_for_every_sample_and_undone_exactly(responses: list[str], seed: int) -> None:
    engine = Lengths()
    verdict = asyncio.run(Repeated(Shuffled(Listwise(engine=engine), seed), 6)(comparison(*responses)))
    assert [vote.scores for vote in verdict.votes] == [tuple(map(len, responses))] * 6
    shown = [tuple(request.messages[0]["content"].splitlines()) for request in engine.requests]
    assert shown == [tuple(responses[i] for i in vote.order) for vote in verdict.votes]


def test_shuffled_orders_differ_between_samples() -> None:
    verdict = asyncio.run(Repeated(Shuffled(Listwise(engine=Lengths())), 20)(comparison("a", "bb", "ccc")))
    assert len({vote.order for vote in verdict.votes}) == 6


@pytest.mark.parametrize("kind", [Listwise, Pointwise])
def test_a_judge_of_any_number_ranks_directly(kind: type[Judge]) -> None:
    ranking = asyncio.run(rank(kind(engine=Lengths()), comparison("a", "ccc", "bb", "dd")))
    assert ranking.scores == (1, 3, 2, 2)
    assert ranking.order == ((1,), (2, 3), (0,))
    assert ranking.missing == ()


def test_what_a_listwise_judge_cannot_read_ranks_nothing() -> None:
    ranking = asyncio.run(rank(Listwise(engine=Lengths()), comparison("a", "blank", "bb")))
    assert (ranking.scores, ranking.order, ranking.missing) == ((None, None, None), (), ((0, 1, 2),))


def test_a_judge_says_how_its_votes_are_counted_unless_another_rule_is_given() -> None:
    judge = Listwise(engine=Lengths())
    summed = asyncio.run(Repeated(judge, 3)(comparison("a", "bb")))
    counted = asyncio.run(WithRule(Repeated(judge, 3), Rule())(comparison("a", "bb")))
    assert (summed.scores, counted.scores) == ((3, 6), (0, 3))


def test_a_pairwise_judge_says_what_to_do_with_three_responses() -> None:
    with pytest.raises(FathomError, match=r"'c' has 3 responses \(fathom rank"):
        asyncio.run(MixJudge(engine=Lengths())(comparison("a", "b", "c")))


@dataclass
class Sleepy(BaseEngine):
    """Takes ten turns of the event loop for every character of the prompt, which no busy machine can reorder.

    Prompts of more than `awake` characters take for ever.
    """

    awake: int = 100
    started: list[str] = field(default_factory=list)
    cancelled: int = 0
    identity: str = "sleepy"

    async def complete(self, request: Request) -> Completion:
        text = request.messages[0]["content"]
        self.started.append(text)
        try:
            for _ in range(10 * len(text)):
                await asyncio.sleep(0)
            if len(text) > self.awake:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Completion(str(len(text)))


SLEEPY = [comparison("z" * n, id=str(n)) for n in (9, 1, 5)]


@pytest.mark.parametrize(
    ("order", "ids"),
    [pytest.param("input", ["9", "1", "5"], id="input"), pytest.param("completion", ["1", "5", "9"], id="completion")],
)
def test_results_come_in_the_order_asked_for(order: Literal["input", "completion"], ids: list[str]) -> None:
    results = list(Pointwise(engine=Sleepy()).run(SLEEPY, order=order))
    assert [judged.id for judged, _ in results] == ids
    assert all(verdict.scores == (float(judged.id),) for judged, verdict in results)


def test_judging_without_async_works_inside_a_running_loop_as_in_a_notebook() -> None:
    async def cell() -> int:
        return len(list(Pointwise(engine=Sleepy()).run(SLEEPY)))

    assert asyncio.run(cell()) == 3


@pytest.mark.parametrize("order", ["input", "completion"])
def test_leaving_early_cancels_what_is_in_flight(order: Literal["input", "completion"]) -> None:
    engine = Sleepy(awake=1)
    endless = (comparison("z" * (1 + (n > 0)), id=str(n)) for n in range(1000))
    for judged, _ in Pointwise(engine=engine).run(endless, concurrency=4, order=order):
        assert judged.id == "0"
        break
    assert engine.cancelled == len(engine.started) - 1


@pytest.mark.parametrize("order", ["input", "completion"])
def test_leaving_early_with_a_journal_cancels_too_and_the_journal_serves_the_next_loop(
    order: Literal["input", "completion"], tmp_path: Path
) -> None:
    engine = Sleepy(awake=1)
    pairs = [comparison("z" * n, id=str(n)) for n in (1, 20, 21, 22)]
    with CachedEngine(engine, tmp_path / "journal") as cached:
        judge = Pointwise(engine=cached)
        for judged, _ in judge.run(pairs, order=order):
            assert judged.id == "1"
            break
        assert engine.cancelled == 3
        engine.awake = 100
        assert [judged.id for judged, _ in judge.run(pairs)] == ["1", "20", "21", "22"]
    assert len(engine.started) == 4 + 3, "what was finished is not asked again"
    assert [path.name for path in tmp_path.iterdir()] == ["journal"], "closed: its changes are in the one file"


def test_a_journal_is_closed_in_a_running_loop_as_in_a_notebook(tmp_path: Path) -> None:
    async def cell() -> int:
        with CachedEngine(Sleepy(), tmp_path / "journal") as cached:
            return len(list(Pointwise(engine=cached).run(SLEEPY)))

    assert asyncio.run(cell()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_an_error_ends_the_loop_and_is_raised_where_it_is_written() -> None:
    def source():  # type: ignore[no-untyped-def]
        yield SLEEPY[1]
        raise FathomError("pairs.jsonl:2: torn")

    with pytest.raises(FathomError, match="torn"):
        list(Pointwise(engine=Sleepy()).run(source()))


@pytest.mark.parametrize("order", ["input", "completion"])
def test_no_more_are_in_flight_than_allowed(order: Literal["input", "completion"]) -> None:
    flying = peak = 0

    @dataclass
    class Counting(Sleepy):
        async def complete(self, request: Request) -> Completion:
            nonlocal flying, peak
            flying += 1
            peak = max(peak, flying)
            try:
                return await super().complete(request)
            finally:
                flying -= 1

    many = [comparison("z", id=str(n)) for n in range(30)]
    assert len(list(Pointwise(engine=Counting()).run(many, concurrency=7, order=order))) == 30
    assert peak == 7


def test_a_judge_with_the_former_name_of_its_arity_is_refused_and_not_taken_for_a_pairwise_one() -> None:
    with pytest.raises(FathomError, match="Former sets `pattern`, which is named `arity`"):
        type("Former", (Judge,), {"pattern": "pointwise"})
