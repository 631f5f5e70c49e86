"""A session in Python does what `fathom judge` does with the same settings."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from asking import COMMANDS, run, write_sources
from fathom import (
    BoundSettings,
    EngineSettings,
    JudgeSettings,
    JudgingSettings,
    SamplingSettings,
    Session,
    VotingSettings,
    read,
)
from fathom.errors import FathomError
from fathom.results.rows import to_row
from serving import Server, chat, serving

A = "Principle 1: Accuracy\nJudgment: Response A is right, Response B is not.\nVerdict: A\n\nFinal verdict: [[A]]"


def settings(url: str, **more: object) -> JudgingSettings:
    voting = VotingSettings(votes=2, tie_votes="drop")
    sampling = SamplingSettings(temperature=1, max_tokens=50)
    engine = EngineSettings(model="judge-7b", base_url=url)
    return JudgingSettings(judge=JudgeSettings(style="depth"), voting=voting, sampling=sampling, engine=engine, **more)  # type: ignore[arg-type]


def test_a_session_gives_the_rows_of_the_command_and_shares_its_journal(tmp_path: Path) -> None:
    write_sources(tmp_path)
    rows: list[dict[str, object]] = []

    def in_python(url: str) -> list[str]:
        with Session(settings(url), journal=tmp_path / "out" / "v.jsonl.journal") as session:
            for comparison, verdict in session.judge(read(tmp_path / "pairs.jsonl")):
                rows.append(json.loads(json.dumps(to_row(comparison, verdict))))
            assert session.metered.usage.tokens == 0, "all was in the journal"
        return ["--version"]

    options = ["--votes", "2", "--tie-votes", "drop", "--temperature", "1", "--max-tokens", "50", "--style", "depth"]
    server, [command, _] = run(lambda _: chat(A), lambda url: [*COMMANDS["judge"](tmp_path, url), *options], in_python)
    assert command.exit_code == 0
    written = [json.loads(line) for line in (tmp_path / "out" / "v.jsonl").read_text().splitlines()]
    assert len(written) == 3
    assert rows == written
    assert len(server.calls) == 3 * 2 * 2


def test_a_session_can_be_awaited_and_bounded(tmp_path: Path) -> None:
    write_sources(tmp_path)

    async def judging() -> Server:
        async with serving(lambda _: chat(A)) as server:
            bounded = settings(server.url, bounds=BoundSettings(max_total_tokens=60))
            async with Session(bounded) as session:
                for comparison in read(tmp_path / "pairs.jsonl"):
                    await session.reward_model(comparison)
            return server

    with pytest.raises(FathomError, match="tokens of the allowed 60"):
        asyncio.run(judging())


def test_what_cannot_be_judged_so_is_refused_when_the_session_is_made() -> None:
    url = "http://127.0.0.1:9/v1"
    wrong = settings(url).model_copy(update={"judge": JudgeSettings(judge="yes_no", options={"least": "high"})})
    with pytest.raises(FathomError, match="least='high' of the judge 'yes_no' must be a valid number"):
        Session(wrong)
    with pytest.raises(FathomError, match="no price is known for judge-7b"):
        Session(settings(url, bounds=BoundSettings(max_cost=1)))
