"""A run of which rows failed says so in its last line and by its exit code, as `--fail-on` asks."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asking import COMMANDS, run, write_sources
from fathom.cli import app
from fathom.cli._ray import OnRay
from fathom.data.folders import Folder
from fathom.engines import EngineError, Request
from fathom.engines.cache import entries
from fathom.engines.metering import Metered
from fathom.engines.scripted import ScriptedEngine
from fathom.errors import FathomError, IncompleteRunError
from fathom.scale.plan import Report
from serving import Answer, Call, Reply, chat
from tiny import make_classifier

A = "Principle 1: Accuracy\nJudgment: Response A is right, Response B is not.\nVerdict: A\n\nFinal verdict: [[A]]"
REFUSED = Reply(400, b'{"error": {"message": "no such luck"}}')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sources(tmp_path)
    return tmp_path


def failing(*tasks: int) -> Answer:
    """Refuses all calls about these tasks."""
    return lambda call: REFUSED if any(f"Task {task}".encode() in call.content for task in tasks) else chat(A)


def failing_once_in_a_row(call: Call) -> Reply:
    """Refuses one of the two orders of the first pair."""
    first = call.content.find(b"yes 0")
    second = call.content.find(b"```\\nno\\n```")
    return REFUSED if b"Task 0" in call.content and 0 <= second < first else chat(A)


@pytest.mark.parametrize(
    ("fail_on", "failed", "code"),
    [
        ("any", (), 0),
        ("any", (1,), 3),
        ("any", (0, 1), 3),
        ("any", (0, 1, 2), 1),
        ("all", (0, 1), 0),
        ("all", (0, 1, 2), 1),
        ("never", (0, 1, 2), 0),
        ("0.5", (1,), 0),
        ("0.5", (0, 1), 3),
        ("0", (1,), 3),
    ],
)
def test_the_exit_code_is_that_of_the_share_of_failed_rows(
    fail_on: str, failed: tuple[int, ...], code: int, folder: Path
) -> None:
    _, [result] = run(failing(*failed), lambda url: [*COMMANDS["judge"](folder, url), "--fail-on", fail_on])
    error = result.exception
    assert (error.exit_code if isinstance(error, FathomError) else result.exit_code) == code
    rows = [json.loads(line) for line in (folder / "out" / "v.jsonl").read_text().splitlines()]
    assert [row["status"] == "failed" for row in rows] == [number in failed for number in range(3)]
    said = f"{result.stderr} {error}"
    if len(failed) == 3:
        assert "every call failed; last error: HTTP 400: no such luck" in said
    else:
        assert (f"{len(failed)} of 3 rows failed" in said) == bool(failed)
    assert ("repeat the command to retry" in said) == bool(failed)


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb != "compare-engines"])
def test_every_verb_tells_failed_rows(verb: str, folder: Path) -> None:
    seen: list[bytes] = []

    def first_is_refused(call: Call) -> Reply:
        seen.append(call.content)
        return REFUSED if call.content == seen[0] else chat(A)

    _, [any_, never] = run(
        first_is_refused,
        lambda url: COMMANDS[verb](folder, url),
        lambda url: [*COMMANDS[verb](folder, url), "--fail-on", "never"],
    )
    assert isinstance(any_.exception, IncompleteRunError), any_.output
    assert "rows failed" in str(any_.exception)
    assert never.exit_code == 0, never.output
    assert "rows failed" in never.stderr


def test_a_row_that_lost_a_vote_has_failed_although_the_others_give_it_a_verdict(folder: Path) -> None:
    _, [result] = run(failing_once_in_a_row, lambda url: COMMANDS["judge"](folder, url))
    assert isinstance(result.exception, IncompleteRunError)
    assert "1 of 3 rows failed (1 of them have a verdict of their other votes)" in str(result.exception)


def test_the_same_command_asks_only_what_failed_and_ends_well(folder: Path) -> None:
    broken = [True]

    def answer(call: Call) -> Reply:
        return REFUSED if broken[0] and b"Task 1" in call.content else chat(A)

    def mended(url: str) -> list[str]:
        broken[0] = False
        return COMMANDS["judge"](folder, url)

    server, [first, second] = run(answer, lambda url: COMMANDS["judge"](folder, url), mended)
    assert isinstance(first.exception, IncompleteRunError)
    assert second.exit_code == 0
    assert len(server.calls) == 6 + 2


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb != "eval"])  # its example has two rows
def test_a_key_that_is_refused_stops_every_verb_with_one_line_and_keeps_what_is_finished(
    verb: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Call] = []

    def refusing_after_the_first(call: Call) -> Reply:
        calls.append(call)
        return chat(A) if len(calls) == 1 else Reply(401, b'{"error": {"message": "no such key"}}')

    write_sources(folder, rows=40)
    server, [result] = run(refusing_after_the_first, lambda url: COMMANDS[verb](folder, url))
    assert isinstance(result.exception, FathomError), result.output
    assert result.exception.exit_code == 1
    said = str(result.exception)
    assert "401" in said
    assert "finished completions are in" in said
    assert "\n" not in said
    assert len(server.calls) <= 60  # those in flight, of 80 or more; two engines have as many each
    [journal] = [path for path in (folder / "out").rglob("*journal*") if path.suffix in (".journal", ".sqlite")]
    assert len(list(entries(journal))) == 1
    gc.collect()  # a failure that nobody waited for would be reported by now
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(("longest", "code"), [(1, 3), (3, 1)])
def test_a_text_beyond_the_context_names_its_row_and_no_repetition_is_advised(
    longest: int, code: int, tmp_path: Path
) -> None:
    model = make_classifier(tmp_path / "model")
    rows = [{"id": f"row-{k}", "prompt": "Task", "chosen": "yes", "rejected": "no"} for k in range(3)]
    for row in rows[-longest:]:
        row |= {"chosen": "word " * 1000, "rejected": "other " * 1000}
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["judge", str(tmp_path / "pairs.jsonl"), "--model", str(model), "--out", str(tmp_path / "v.jsonl")]
    any_, never = (CliRunner().invoke(app, [*command, *more]) for more in ([], ["--fail-on", "never"]))
    assert isinstance(any_.exception, FathomError)
    assert any_.exception.exit_code == code
    said = str(any_.exception)
    assert f"first failed row: row-{3 - longest};" in said
    assert "has a context of 512" in said
    assert said.endswith("the same command would fail again, so give --fail-on never to accept rows without a verdict")
    assert never.exit_code == 0
    assert "the same command would fail again" in never.stderr
    assert "repeat the command" not in said + never.stderr


def test_a_failure_that_may_pass_is_reported_before_a_text_that_cannot_be_read() -> None:
    unread, passing = EngineError("too long", kind="text"), EngineError("a timeout", retryable=True)

    async def failure(*errors: EngineError) -> EngineError | None:
        metered = Metered(ScriptedEngine(list(errors)))
        for _ in errors:
            with pytest.raises(EngineError):
                await metered.complete(Request(({"role": "user", "content": "a"},)))
        return metered.failure

    assert asyncio.run(failure(passing, unread)) is passing
    assert asyncio.run(failure(unread, passing)) is passing
    assert asyncio.run(failure(unread)) is unread


def test_workers_on_many_machines_report_a_text_that_cannot_be_read_in_the_same_words(tmp_path: Path) -> None:
    def report(shard: int, error: str | None, first: str, *, unreadable: bool) -> Report:
        counts = {"rows": 2, "failed": int(error is not None), "without_verdict": int(error is not None), "unparsed": 0}
        spent: dict[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "unknown_calls": 0, "cost": None}
        names = {"identity": "plan", "engine": "e", "sha256": "", "error": error, "first_failed": first}
        return Report(shard=shard, **names, **counts, **spent, set_aside=(), completed=3, unreadable=unreadable)  # type: ignore[arg-type]

    def said(*reports: Report) -> str:
        with pytest.raises(IncompleteRunError) as caught:
            OnRay(Folder.at(tmp_path), reports, {}).finish("any")
        return str(caught.value)

    fine, long = report(0, None, "", unreadable=False), report(1, "too long", "b", unreadable=True)
    assert said(fine, long).startswith(
        "1 of 4 rows failed; last error: too long; first failed row: b; the same command"
    )
    both = said(long, report(2, "a timeout", "c", unreadable=False))
    assert both == "2 of 4 rows failed; last error: a timeout; first failed row: b; repeat the command to retry"


@pytest.mark.parametrize(("verb", "kept"), [("synth", "mix.jsonl"), ("rejection-sample", "rft.jsonl")])
def test_a_training_set_with_nothing_in_it_is_no_success(verb: str, kept: str, folder: Path) -> None:
    _, [any_, never] = run(
        lambda _: chat("I cannot say."),
        lambda url: COMMANDS[verb](folder, url),
        lambda url: [*COMMANDS[verb](folder, url), "--fail-on", "never"],
    )
    assert isinstance(any_.exception, IncompleteRunError)
    assert any(
        said in str(any_.exception) for said in ("kept 0 rationales of 3 comparisons for mix", "nothing was kept")
    )
    [file] = (folder / "out").rglob(kept)
    assert file.read_text() == ""
    assert never.exit_code == 0
    assert str(any_.exception).split(":")[0] in " ".join(never.stderr.split())


@pytest.mark.parametrize("value", ["some", "-0.1", "1", "2", "nan"])
def test_what_is_no_share_of_rows_is_refused(value: str, folder: Path) -> None:
    server, [result] = run(lambda _: chat(A), lambda url: [*COMMANDS["judge"](folder, url), "--fail-on", value])
    assert result.exit_code == 2
    assert "expected any, all, never, or a share" in " ".join(result.output.split())
    assert server.calls == []
