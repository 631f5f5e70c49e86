"""Every example runs as it stands, offline, and says what it promises."""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from serving import chat, serving

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Runs an example with arguments and returns what it printed."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_every_example_has_a_test_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'said("{path.name}"' not in here] == []


def test_rationales_are_read_and_written(said) -> None:  # type: ignore[no-untyped-def]
    output = said("rationales.py")
    assert output.startswith("ok A\n- Correctness -> A\n- Brevity -> MIXED\n")
    assert "\ncontradictory: " in output
    assert "\ninvalid: " in output


def test_a_file_is_judged(said) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    output = said("judge_file.py")
    assert output.count(" ok winner: ") == 6
    assert "\ncorrectness: right 1.000" in output


def test_votes_are_taken_from_the_journal_the_second_time(said, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    first = said("votes.py", tmp_path / "journal")
    second = said("votes.py", tmp_path / "journal")
    assert first.endswith("asked the model 36 times\n")
    assert second == first.replace("asked the model 36 times", "asked the model 0 times")


def test_a_session_judges_with_the_settings_of_the_command_line(said, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    first = said("session.py", tmp_path / "journal")
    second = said("session.py", tmp_path / "journal")
    assert first.count("votes: 4\n") == 6
    assert "\n24 completions were asked for, " in first
    assert second.endswith("\n0 completions were asked for, 0 tokens spent\n")


def test_responses_are_ranked_and_paired(said) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    output = said("rank.py")
    assert output.startswith("answers-1: scores (")
    assert output.count("best 1, label 1") >= 2
    assert "margin" in output


def test_a_server_judges_from_code_that_is_not_asynchronous(said, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    async def run() -> list[str]:
        async with serving(lambda _: chat("Final verdict: [[A]]")) as server:
            given = (server.url, "any", tmp_path / "journal")
            return [await asyncio.to_thread(lambda: said("server.py", *given)) for _ in range(2)]

    first, second = asyncio.run(run())
    assert first.count(" ok winner: None flip rate: 1.0\n") == 6  # it always says A
    assert first.endswith(" completion tokens, 12 calls\n")
    assert second.endswith(" completion tokens, 0 calls\n")


def test_a_judge_of_ones_own_votes_and_ranks(said) -> None:  # type: ignore[no-untyped-def]
    assert said("own_judge.py") == "1 ok winner: 2 votes: [(0.0, 1.0, 2.0), (0.0, 1.0, 2.0)]\n"


def test_a_judge_of_ones_own_is_named_by_its_file_on_the_command_line(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"prompt": "Ask for tea.", "responses": ["Tea!", "Tea, please."]}) + "\n")

    async def run() -> str:
        async with serving(lambda call: chat(f"Score: {call.content.count(b'please')}")) as server:
            given = ["--base-url", server.url, "--model", "any", "--judge", str(EXAMPLES / "own_judge.py")]
            ran = await asyncio.to_thread(CliRunner().invoke, app, ["judge", str(answers), *given])
            assert ran.exit_code == 0, ran.output
            return ran.stdout

    assert json.loads(asyncio.run(run()))["winner"] == 1


def test_recorded_texts_become_rows(said, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "rows.jsonl"
    assert said("transcripts.py", EXAMPLES / "transcripts.jsonl", out).count(" ok winner: ") == 4
    scored = CliRunner().invoke(app, ["score", str(out)])
    assert "ok 4 (100%)" in scored.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [[vote["status"] for vote in row["votes"]] for row in rows] == [
        ["ok", "ok"],
        ["ok", "ok"],
        ["ok", "missing"],
        ["ok", "failed"],
    ]


def test_rationales_are_synthesised(said, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "(correctness): depth\n" in said("synthesise.py", tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "mix.jsonl").read_text().splitlines()]
    assert [row["structure"] for row in rows] == ["breadth", "depth"] * 3


def test_the_reward_is_used_by_trls_trainer(said, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')
    assert said("grpo.py", tmp_path).count("\nreward ") >= 1


def test_trl_trains_a_policy_with_the_rewards_of_a_judge(said, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')
    lines = [line for line in said("trl_rewards.py", tmp_path).splitlines() if line.startswith("reward ")]
    assert len(lines) == 2
    assert all(", not scored " in line for line in lines)


def test_rewards_are_given_and_left_out(said) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    assert said("rewards.py") == "the reward: mix\nok 0.0\nok 1.0\nmissing None\n"
