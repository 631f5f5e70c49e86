"""The journal of a reward server: which files it takes, and from which it deletes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import EngineSettings, FathomError, JudgeSettings, JudgingSettings, ScriptedEngine, ServeSettings, Session
from fathom.data.records import Comparison
from fathom.serve.service import Service, open_session
from fathom.settings import RewardSettings
from reward_server import reward_server

BODY = {"samples": [{"prompt": "p", "response": "r"}]}


def settings(journal: Path) -> JudgingSettings:
    return JudgingSettings(judge=JudgeSettings(judge="prometheus"), engine=EngineSettings(journal=journal))


def served(journal: Path, **serving: Any) -> bool:
    """Whether the reward of `BODY` was in the journal."""

    async def main() -> bool:
        engine = ScriptedEngine("[RESULT] 4")
        chosen = EngineSettings(model="judge-7b", journal=journal)
        async with reward_server(engine, "prometheus", engine_settings=chosen, **serving) as server:
            _, answer, _ = await server.post("/v1/rewards", BODY)
            return bool(answer["rewards"][0]["cached"])

    return asyncio.run(main())


def test_a_file_that_is_no_journal_is_refused_and_not_changed(tmp_path: Path) -> None:
    empty, text, database = tmp_path / "empty", tmp_path / "text", tmp_path / "database"
    empty.touch()
    text.write_text("notes " * 100)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    before = [file.read_bytes() for file in (empty, text, database)]
    for file, message in ((empty, "is empty, so it is not a journal"), (text, "not a database"), (database, "another")):
        with pytest.raises(FathomError, match=message):
            open_session(settings(file), ScriptedEngine("[RESULT] 4"))
    assert [file.read_bytes() for file in (empty, text, database)] == before


def test_a_new_file_becomes_a_journal_that_outlives_the_server(tmp_path: Path) -> None:
    journal = tmp_path / "new" / "server.journal"
    assert not served(journal)
    assert served(journal)


@pytest.mark.parametrize("limits", [{"cache_mb": 1}, {"cache_hours": 1}])
def test_the_completions_of_a_run_are_not_deleted(tmp_path: Path, limits: dict[str, Any]) -> None:
    journal = tmp_path / "run.journal"
    with Session(settings(journal), engine=ScriptedEngine("[RESULT] 4")) as session:
        list(session.judge([Comparison(prompt="p", responses=("r",))]))
    before = journal.read_bytes()
    session = open_session(settings(journal), ScriptedEngine("[RESULT] 4"))
    with pytest.raises(FathomError, match=r"has completions of runs.*expected a new file"):
        Service(session, RewardSettings(), ServeSettings(**limits))
    asyncio.run(session.cached.close())
    assert journal.read_bytes() == before
    assert served(journal), "without limits, the server may read and add"


@pytest.mark.parametrize("limits", [{"cache_mb": 1}, {"cache_hours": 1}])
def test_a_server_with_limits_takes_its_own_journal_again(tmp_path: Path, limits: dict[str, Any]) -> None:
    journal = tmp_path / "cache.journal"
    assert not served(journal, **limits)
    assert served(journal, **limits)
