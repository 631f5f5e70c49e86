"""Judging: votes are cast, counted and mirrored; a failure is a vote that says so."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.reading import read
from fathom.data.records import Comparison, Label
from fathom.engines import BaseEngine, Completion, EngineError, Request, Sampling
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import JUDGES, Judge, RewardModel, find, judge_all
from fathom.judges.mix import MixJudge
from fathom.judging import RowOutcome, write_verdicts
from fathom.rationale import Status
from fathom.voting.wrappers import Repeated, Swapped

PAIR = Comparison(id="1", prompt="Say hello.", responses=("Hello.", "Go away."), label=Label(best=0))


@dataclass
class Scripted(BaseEngine):
    """Answers as `script` says; remembers what it was asked."""

    script: object
    requests: list[Request] = field(default_factory=list)
    identity: str = "scripted"

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        await asyncio.sleep(0)
        text = self.script(request) if callable(self.script) else str(self.script)
        return Completion(text, usage=Usage(10, 3))


def always(letter: str) -> Scripted:
    return Scripted(f"Final verdict: [[{letter}]]")


def seeded() -> Scripted:
    """A judge whose verdict depends on all it is asked, in no meaningful way."""

    answers = ("Final verdict: [[A]]", "Final verdict: [[B]]", "Final verdict: [[tie]]", "I cannot say.")

    def script(request: Request) -> str:
        return answers[hashlib.sha256(repr(request).encode()).digest()[0] % 4]

    return Scripted(script)


def judged(voter: RewardModel, comparison: Comparison = PAIR):  # type: ignore[no-untyped-def]
    return asyncio.run(voter(comparison))


texts = st.text(min_size=1, max_size=30)
pairs = st.builds(lambda prompt, a, b: Comparison(id="x", prompt=prompt, responses=(a, b)), texts, texts, texts)


def test_one_vote_is_a_verdict() -> None:
    verdict = judged(MixJudge(engine=always("B")))
    assert (verdict.status, verdict.winner, verdict.agreement) == (Status.OK, 1, 1.0)
    assert verdict.usage == Usage(10, 3)
    assert verdict.votes[0].order == (0, 1)


def test_what_a_content_filter_cut_off_is_refused_whatever_it_says() -> None:
    for text in ("", "Response A is", "Final verdict: [[A]]"):
        vote = MixJudge().read_completion(Completion(text, finish_reason="content_filter"), PAIR)
        assert (vote.status, vote.winner, vote.text) == (Status.REFUSED, None, text)
        assert vote.error is not None
        assert vote.error.startswith("the service filtered the content")


def test_a_vote_that_is_read_from_a_completion_knows_how_many_responses_were_shown() -> None:
    for name in ("mix", "rewardbench", "s2j"):
        assert find(name)().read_completion(Completion("Final verdict: [[B]]"), PAIR).order == (0, 1)


@given(pairs, st.sampled_from("AB"), st.integers(1, 3))
def test_a_judge_that_always_says_the_same_letter_ties_when_swapped(pair: Comparison, letter: str, times: int) -> None:
    verdict = judged(Repeated(Swapped(MixJudge(engine=always(letter))), times), pair)
    # Each order has half of the votes: no vote names the tie, and the commonest outcome has a half.
    assert (verdict.status, verdict.winner, verdict.agreement) == (Status.OK, None, 0.5)


@given(pairs, st.integers(1, 4))
def test_swapped_verdicts_mirror_when_the_input_does(pair: Comparison, times: int) -> None:
    voter = Repeated(Swapped(MixJudge(engine=seeded())), times)
    straight, mirrored = judged(voter, pair), judged(voter, pair.permuted((1, 0)))
    assert mirrored.status == straight.status
    assert mirrored.agreement == straight.agreement
    assert mirrored.winner == (None if straight.winner is None else 1 - straight.winner)


def test_half_of_the_votes_see_each_order() -> None:
    engine = always("A")
    verdict = judged(Repeated(Swapped(MixJudge(engine=engine)), 3))
    assert sorted(vote.order for vote in verdict.votes) == [(0, 1)] * 3 + [(1, 0)] * 3
    first_shown = [request.messages[0]["content"].index("Hello.") for request in engine.requests]
    assert len(set(first_shown)) == 2


def test_a_judge_that_knows_the_better_response_keeps_its_verdict_in_both_orders() -> None:
    def script(request: Request) -> str:
        text = request.messages[0]["content"]
        return "Final verdict: [[A]]" if text.index("Hello.") < text.index("Go away.") else "Final verdict: [[B]]"

    verdict = judged(Swapped(MixJudge(engine=Scripted(script))))
    assert (verdict.winner, verdict.agreement) == (0, 1.0)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda judge: Repeated(judge, 6), id="repeated"),
        pytest.param(lambda judge: Repeated(Repeated(judge, 2), 3), id="repeated twice"),
        pytest.param(lambda judge: Repeated(Swapped(Repeated(judge, 3)), 1), id="repeated inside swapped"),
    ],
)
def test_wrappers_nest_without_asking_for_one_draw_twice(wrap) -> None:  # type: ignore[no-untyped-def]
    engine = always("A")
    votes = judged(wrap(MixJudge(engine=engine, sampling=Sampling(temperature=1.0)))).votes
    assert len(votes) == 6
    assert len({(repr(request.messages), request.sample) for request in engine.requests}) == 6


def test_a_failed_call_is_a_vote_that_says_why_and_counts_for_nobody() -> None:
    def script(request: Request) -> str:
        if request.sample == 0:
            raise EngineError("out of order")
        return "Final verdict: [[B]]"

    verdict = judged(Repeated(MixJudge(engine=Scripted(script)), 2))
    assert [vote.status for vote in verdict.votes] == [Status.FAILED, Status.OK]
    assert verdict.votes[0].error == "out of order"
    assert (verdict.winner, verdict.agreement) == (1, 1.0)
    alone = judged(Repeated(MixJudge(engine=Scripted(script)), 1))
    assert (alone.status, alone.winner, alone.agreement) == (Status.FAILED, None, None)


@given(pairs)
def test_the_prompt_does_not_depend_on_the_label(pair: Comparison) -> None:
    asked = [
        MixJudge().ask(pair.model_copy(update={"label": label, "source_order": placement}))
        for label in (None, Label(best=0), Label(best=1), Label(scores=(1, 2)))
        for placement in (None, (0, 1), (1, 0))
    ]
    assert all(messages == asked[0] for messages in asked)


def test_verdicts_come_in_the_order_of_the_input_with_a_bounded_number_in_flight() -> None:
    flying = peak = 0

    class Slow(BaseEngine):
        identity = "slow"

        async def complete(self, request: Request) -> Completion:
            nonlocal flying, peak
            flying += 1
            peak = max(peak, flying)
            await asyncio.sleep(0.001 if "item 3" in request.messages[0]["content"] else 0)
            flying -= 1
            return Completion("Final verdict: [[A]]")

    async def run() -> list[str]:
        comparisons = (PAIR.model_copy(update={"id": str(n), "prompt": f"item {n}"}) for n in range(20))
        return [item.id async for item, _ in judge_all(MixJudge(engine=Slow()), comparisons, concurrency=5)]

    assert asyncio.run(run()) == [str(n) for n in range(20)]
    assert peak == 5


UNFINISHED = """
from fathom.data.records import Comparison
from fathom.engines.scripted import ScriptedEngine
from fathom.judges.libra import LibraJudge

def stopped():
    judge = LibraJudge(engine=ScriptedEngine("Verdict: correct"))
    judged = judge.run(Comparison(id=str(k), prompt="?", responses=("!",)) for k in range(9))
    next(judged)
    raise RuntimeError("in the loop")

stopped()
"""


def test_a_script_that_fails_while_it_iterates_over_verdicts_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", UNFINISHED], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    assert ended.stderr.endswith("RuntimeError: in the loop\n")


def test_three_responses_are_refused_by_name() -> None:
    with pytest.raises(FathomError, match="'1' has 3"):
        MixJudge().ask(PAIR.model_copy(update={"responses": ("a", "b", "c")}))


# `flip` is told nothing about the request that it infers, and refuses criteria (test_likelihood_rewards.py).
READ_CRITERIA = [name for name in JUDGES.names() if issubclass(find(name), Judge) and name not in ("flip", "slot")]


@pytest.mark.parametrize("name", READ_CRITERIA)
def test_every_judge_puts_a_rubric_before_its_own_prompt(name: str) -> None:
    kind = find(name)
    pair = PAIR.model_copy(update={"reference": "4"})
    comparison = pair.subset((0,)) if kind().arity == "pointwise" else pair
    plain, judged = kind(), kind(rubric="Prefer answers that a child understands.\n")
    assert plain.prompt(comparison) == plain.ask(comparison) == judged.ask(comparison)
    first, *rest = judged.prompt(comparison)
    start = "Judge by these criteria and by no others:\n\nPrefer answers that a child understands.\n\n"
    assert first["content"] == start + plain.ask(comparison)[0]["content"]
    assert rest == plain.ask(comparison)[1:]


def test_the_engine_gets_the_rubric() -> None:
    engine = seeded()
    judged(MixJudge(engine=engine, rubric="Prefer short answers."))
    assert engine.requests
    assert all("Prefer short answers." in each.messages[0]["content"] for each in engine.requests)


def test_a_judge_is_found_by_its_name() -> None:
    assert find("mix") is MixJudge
    with pytest.raises(FathomError, match=r"expected one of: .*mix, .*spct"):
        find("nobody")


def test_a_row_is_written_whatever_its_source_keeps_in_other_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    columns = {"prompt": ["2 + 2?"], "chosen": ["4"], "rejected": ["5"]}
    others = {"asked": [datetime(2026, 1, 2, tzinfo=UTC)], "payload": [b"\xff"], "price": [Decimal("1.5")]}
    pyarrow.parquet.write_table(pa.table(columns | others), tmp_path / "pairs.parquet")
    (comparison,) = read(tmp_path / "pairs.parquet")
    sink = io.BytesIO()

    async def written() -> list[RowOutcome]:
        return [each async for each in write_verdicts(MixJudge(engine=always("A")), [comparison], sink, tallies={})]

    assert asyncio.run(written()) == [RowOutcome(parsed=True, id=comparison.id)]
    metadata = json.loads(sink.getvalue())["metadata"]
    assert metadata["asked"].startswith("2026-01-02")
    assert metadata["payload"] == "_w=="  # base64 in its URL-safe alphabet, as records write bytes
