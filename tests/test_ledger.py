"""What all runs on a journal spent: also those that were stopped, that failed, or that an older version made."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from asking import COMMANDS, run, write_sources
from fathom.engines import BaseEngine, Completion, EngineError, Request
from fathom.engines.cache import CachedEngine
from fathom.engines.ledger import spent_by_all
from fathom.engines.metering import Metered, Price
from fathom.engines.usage import Usage
from serving import Call, Reply, chat

A = "Principle 1: Accuracy\nJudgment: Response A is right, Response B is not.\nVerdict: A\n\nFinal verdict: [[A]]"


class Billed(BaseEngine):
    """Answers every prompt but `Fail`, whose call is billed all the same."""

    identity = "billed"

    async def complete(self, request: Request) -> Completion:
        if request.messages[0]["content"] == "Fail":
            raise EngineError("failed after it was billed", usage=Usage(5, 1))
        return Completion("text", usage=Usage(10, 2))


def ask(journal: Path, *texts: str, price: Price | None = None) -> None:
    async def asking() -> None:
        async with CachedEngine(Metered(Billed(), price=price), journal) as engine:
            requests = (Request(({"role": "user", "content": text},)) for text in texts)
            await asyncio.gather(*map(engine.complete, requests), return_exceptions=True)

    asyncio.run(asking())


def test_runs_add_up_and_failed_calls_count(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    price = Price(prompt=1_000_000, completion=0)
    ask(journal, "one", "two", price=price)
    ask(journal, "one", "two", "three", "Fail", price=price)
    ask(journal, "one", price=price)  # spends nothing, and is no run of its own here
    spent = spent_by_all(journal)
    assert spent is not None
    assert (spent.runs, spent.usage, spent.cost) == (2, Usage(3 * 10 + 5, 3 * 2 + 1), 35.0)


def test_a_run_whose_calls_all_failed_after_they_were_billed_is_written_down(tmp_path: Path) -> None:
    ask(tmp_path / "journal", "Fail")
    spent = spent_by_all(tmp_path / "journal")
    assert spent is not None
    assert (spent.runs, spent.usage, spent.cost) == (1, Usage(5, 1), None)


def test_a_cost_that_is_unknown_for_one_run_is_unknown_for_all(tmp_path: Path) -> None:
    ask(tmp_path / "journal", "one", price=Price(prompt=1, completion=1))
    ask(tmp_path / "journal", "two")
    spent = spent_by_all(tmp_path / "journal")
    assert spent is not None
    assert (spent.usage, spent.cost) == (Usage(20, 4), None)


def test_what_an_older_version_left_counts_with_the_tokens_of_its_completions(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    ask(journal, "one", "two")
    with sqlite3.connect(journal) as connection:
        connection.execute("DROP TABLE spent")
    connection.close()
    assert spent_by_all(journal) is None
    ask(journal, "one", "three")
    spent = spent_by_all(journal)
    assert spent is not None
    assert (spent.runs, spent.usage, spent.cost) == (2, Usage(30, 6), None)


def test_without_a_journal_or_an_answer_there_is_nothing(tmp_path: Path) -> None:
    assert spent_by_all(tmp_path / "journal") is None
    assert spent_by_all(Path(":memory:")) is None


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb != "eval"])
def test_every_verb_records_what_all_its_runs_spent_as_the_server_counted_it(verb: str, tmp_path: Path) -> None:
    write_sources(tmp_path)
    (tmp_path / "prices.yaml").write_text(
        "judge-7b: {prompt: 1000, completion: 1000}\nother: {prompt: 1, completion: 1}"
    )
    billed: list[int] = []

    def answer(call: Call) -> Reply:
        reply = chat(A)
        usage = json.loads(reply.body)["usage"]
        billed.append(usage["total_tokens"])
        return reply

    more = ["--prices", f"{tmp_path}/prices.yaml"]
    stopped = ["--max-total-tokens", "100"]
    again = ["--fail-on", "never"] if verb != "compare-engines" else []
    run(
        answer,
        lambda url: [*COMMANDS[verb](tmp_path, url), *more, *stopped],
        lambda url: [*COMMANDS[verb](tmp_path, url), *more, *again],
        lambda url: [*COMMANDS[verb](tmp_path, url), *more, *again],
    )
    records = [*tmp_path.rglob("*.meta.json"), *tmp_path.rglob("manifest.json")]
    assert len(records) == 1
    spent: Any = json.loads(records[0].read_text())["spent"]
    this, by_all = (spent[0]["this_run"], spent[0]["all_runs"]) if isinstance(spent, list) else spent.values()
    assert this["prompt_tokens"] + this["completion_tokens"] == 0
    assert by_all["prompt_tokens"] + by_all["completion_tokens"] == sum(billed)
    assert by_all["runs"] >= 2
    if verb != "compare-engines":
        assert by_all["cost"] == pytest.approx(sum(billed) * 1000 / 1_000_000)
