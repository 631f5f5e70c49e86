"""`fathom judge`: every row gets a status, nothing unparsed becomes a number, and an interrupted run goes on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import fathom
from fathom.cli import app
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.metrics.verdicts import summary, tally
from fathom.rationale import Status
from serving import Seeded, serving
from tiny import make_parrot


def judge(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["judge", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def meta_of(path: Path) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads(path.with_name(f"{path.name}.meta.json").read_text())
    return meta


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Six pairs; the better response is A, B, A, B, A, B."""
    rows = [
        {"id": n, "prompt": f"Task {n}", "response_a": "yes", "response_b": "no", "label": "AB"[n % 2]}
        for n in range(6)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def says_a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    english = [path.read_text() for path in Path(fathom.__file__).parent.rglob("*.py")]
    return make_parrot(tmp_path_factory.mktemp("parrot") / "a", "Final verdict: [[A]]", vocab_texts=english)


@pytest.mark.parametrize(("options", "tokens"), [((), 1), (("--max-tokens", 2), 2)], ids=["its own", "given"])
def test_a_judge_of_one_token_asks_for_one_unless_more_are_given(
    pairs: Path, says_a: Path, tmp_path: Path, options: tuple[object, ...], tokens: int
) -> None:
    out = tmp_path / "verdicts.jsonl"
    judge(pairs, "--model", says_a, "--judge", "yes_no", "--limit", 1, *options, "--out", out)
    [vote] = rows_of(out)[0]["votes"]
    assert [part["tokens"]["completion"] for part in vote["per_response"]] == [tokens, tokens]


@pytest.mark.parametrize("options", [("--aggregate", "sum"), ("--judge", "libra")], ids=["given", "the judge's own"])
def test_ties_are_dropped_from_majorities_alone(pairs: Path, says_a: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(FathomError, match="--tie-votes drop requires --aggregate majority"):
        judge(pairs, "--model", says_a, "--tie-votes", "drop", *options)


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (("--max-votes", "32"), "--votes adaptive"),
        (("--vote-error", "0.03", "--votes", "4", "--temperature", "1"), "--votes adaptive"),
        (("--keep", "0.5"), "--meta"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(
    pairs: Path, says_a: Path, options: tuple[str, ...], needed: str
) -> None:
    with pytest.raises(FathomError, match=f"{options[0]} {options[1]} has no effect without {needed}"):
        judge(pairs, "--model", says_a, *options)


@pytest.mark.parametrize("file", ["judgebench/pairs_gpt.jsonl.gz", "rm_bench/chat_filtered.jsonl.gz"])
@pytest.mark.parametrize("model", ["checkpoint", "says_a"])
def test_real_rows_get_a_status_each_and_none_a_made_up_score(
    file: str, model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "FATHOM_DATA" not in os.environ:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    out = tmp_path / "verdicts.jsonl"
    source = Path(os.environ["FATHOM_DATA"]) / file
    options = ("--no-swap", "--max-tokens", 12, "--limit", 6)
    with suppress(FathomError):  # where every prompt is too long for the small model: each row says so, too
        judge(source, "--model", request.getfixturevalue(model), *options, "--out", out)
    rows = rows_of(out)
    assert len(rows) == 6
    for row in rows:
        assert row["status"] in set(Status)
        assert row["label"] in {0, 1}
        if row["status"] != "ok":
            assert (row["winner"], row["correct"], row["agreement"]) == (None, None, None)
        [vote] = row["votes"]
        assert (vote["error"] is not None) == (vote["status"] == "failed")
    if model == "says_a":
        assert {row["status"] for row in rows} == {"ok"}
        assert all(row["correct"] == (row["label"] == 0) for row in rows)
    else:
        assert "ok" not in {row["status"] for row in rows}, "random weights cannot have written a verdict"


def test_a_judge_that_always_says_a_is_right_half_of_the_time_and_never_when_swapped(
    pairs: Path, says_a: Path, tmp_path: Path
) -> None:
    once, swapped = tmp_path / "once.jsonl", tmp_path / "swapped.jsonl"
    judge(pairs, "--model", says_a, "--out", once, "--no-swap")
    judge(pairs, "--model", says_a, "--out", swapped)
    assert [row["correct"] for row in rows_of(once)] == [True, False] * 3
    assert meta_of(once)["summary"]["all"]["accuracy"][0] == 0.5
    assert [row["winner"] for row in rows_of(swapped)] == [None] * 6
    assert [[vote["order"] for vote in row["votes"]] for row in rows_of(swapped)] == [[[0, 1], [1, 0]]] * 6
    assert meta_of(swapped)["summary"]["all"]["accuracy"][0] == 0.0
    assert meta_of(swapped)["summary"]["all"]["parse_rate"][0] == 1.0
    assert [row["flip_rate"] for row in rows_of(once) + rows_of(swapped)] == [None] * 6 + [1.0] * 6


def test_a_thousand_pairs_and_their_mirror_images_get_mirrored_verdicts(tmp_path: Path) -> None:
    rng = random.Random(5)
    straight = [
        {"id": str(n), "prompt": f"Task {n}", "response_a": rng.random(), "response_b": rng.random(), "label": "A"}
        for n in range(1000)
    ]
    mirrored = [{**row, "response_a": row["response_b"], "response_b": row["response_a"]} for row in straight]

    def judged(name: str, rows: list[dict[str, Any]], url: str) -> list[dict[str, Any]]:
        source, out = tmp_path / f"{name}-pairs.jsonl", tmp_path / f"{name}.jsonl"
        texts = [{key: str(value) for key, value in row.items()} for row in rows]
        source.write_text("".join(json.dumps(row) + "\n" for row in texts))
        judge(source, "--engine", "openai", "--base-url", url, "--model", "m", "--out", out)
        return rows_of(out)

    async def run() -> list[list[dict[str, Any]]]:
        async with serving(Seeded(latency=0, length=0.1)) as server:
            return [
                await asyncio.to_thread(judged, name, rows, server.url)
                for name, rows in (("straight", straight), ("mirrored", mirrored))
            ]

    one, other = asyncio.run(run())
    assert {(row["status"], row["winner"]) for row in one} == {("ok", 0), ("ok", 1), ("ok", None), ("truncated", None)}
    for row, image in zip(one, other, strict=True):
        assert image["winner"] == {0: 1, 1: 0, None: None}[row["winner"]]
        assert image["scores"] == (row["scores"] and row["scores"][::-1])
        assert [image[key] for key in ("id", "status", "agreement", "flip_rate")] == [
            row[key] for key in ("id", "status", "agreement", "flip_rate")
        ]


def test_running_again_asks_nothing_and_writes_the_same_bytes(
    pairs: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "verdicts.jsonl"
    arguments = (pairs, "--model", checkpoint, "--max-tokens", 8, "--votes", 3, "--temperature", 1, "--out", out)
    judge(*arguments)
    first = out.read_bytes()
    out.unlink()

    async def never(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(LocalEngine, "complete", never)
    judge(*arguments)
    assert out.read_bytes() == first
    assert all(len(row["votes"]) == 6 for row in rows_of(out))


def test_a_run_stops_at_its_bound_and_goes_on_from_there(pairs: Path, says_a: Path, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.jsonl"
    with pytest.raises(FathomError, match=r"of the allowed 2,000, .*repeat the command to resume.* higher bound"):
        judge(pairs, "--model", says_a, "--out", out, "--max-total-tokens", 2000)
    assert not out.exists()
    judge(pairs, "--model", says_a, "--out", out)
    spent, by_all = (meta_of(out)["spent"][runs] for runs in ("this_run", "all_runs"))
    row_tokens = [row["tokens"]["prompt"] + row["tokens"]["completion"] for row in rows_of(out)]
    assert 0 < spent["prompt_tokens"] + spent["completion_tokens"] < sum(row_tokens)
    assert by_all["prompt_tokens"] + by_all["completion_tokens"] == sum(row_tokens)
    assert (by_all["runs"], by_all["cost"]) == (2, 0)
    assert spent["cost"] == 0
    assert 0 < spent["prefix_cache_share"] < 1


def test_the_summary_can_be_computed_again_from_the_verdicts(pairs: Path, says_a: Path, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.jsonl"
    judge(pairs, "--model", says_a, "--map", "domain=correctness", "--out", out)
    again = json.loads(json.dumps(summary(tally(rows_of(out)))))
    assert again == meta_of(out)["summary"]
    assert set(again) == {"all", "correctness"}


def test_a_trained_checkpoint_is_asked_as_it_was_trained(pairs: Path, tmp_path: Path) -> None:
    trained = make_parrot(tmp_path / "trained", "Final verdict: [[A]]")
    (trained / "fathom.json").write_text('{"name": "mix", "style": "breadth", "trained": true}')
    plain, told = tmp_path / "plain.jsonl", tmp_path / "told.jsonl"
    judge(pairs, "--model", trained, "--out", plain)
    judge(pairs, "--model", trained, "--prompt", "instruct", "--style", "depth", "--out", told)
    recorded = [meta_of(path)["config"]["judge"] for path in (plain, told)]
    assert [judge["name"] for judge in recorded] == ["mix", "mix"]
    assert recorded[0]["options"] == {"rubric": None, "style": "breadth", "trained": True}
    assert recorded[1]["options"] == {"rubric": None, "style": "depth", "trained": False}
    assert recorded[0]["sampling"]["max_tokens"] == 2048
    assert rows_of(plain)[0]["tokens"]["prompt"] < rows_of(told)[0]["tokens"]["prompt"] / 2


def test_criteria_are_read_from_a_file_before_anything_is_asked(pairs: Path, says_a: Path, tmp_path: Path) -> None:
    rubric, out = tmp_path / "rubric.md", tmp_path / "verdicts.jsonl"
    rubric.write_text("Prefer the answer\nthat a child understands.\n", encoding="utf-8")
    judge(pairs, "--model", says_a, "--rubric", rubric, "--out", out)
    assert meta_of(out)["config"]["judge"]["options"]["rubric"] == "Prefer the answer\nthat a child understands."
    assert str(rubric) in meta_of(out)["inputs"]
    plain = tmp_path / "plain.jsonl"
    judge(pairs, "--model", says_a, "--out", plain)
    assert rows_of(plain)[0]["tokens"]["prompt"] < rows_of(out)[0]["tokens"]["prompt"]
    (tmp_path / "empty.md").write_text(" \n")
    for given, message in {
        ("--rubric", tmp_path / "absent.md"): r"^--rubric .*absent\.md: no such file",
        ("--rubric", tmp_path): "not a regular file; expected a text file",
        ("--rubric", tmp_path / "empty.md"): "is empty; expected a text file",
        ("--rubric", rubric, "--judge-option", "rubric=short"): "both give criteria; give one",
    }.items():
        with pytest.raises(FathomError, match=message):
            judge(pairs, "--model", tmp_path / "no model is looked for", *given)


def test_verdicts_go_to_standard_output_alone_and_the_summary_to_stderr(pairs: Path, says_a: Path) -> None:
    result = judge(pairs, "--model", says_a, "--limit", 4)
    assert len([json.loads(line) for line in result.stdout.splitlines()]) == 4
    assert "parse rate" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--model", "./nowhere"], "there is no folder", id="no checkpoint"),
        pytest.param(["--model", ".", "--votes", "3"], "expected a higher temperature", id="votes that cannot differ"),
        pytest.param(["--model", ".", "--engine", "oracle"], "there is no engine 'oracle'", id="no such engine"),
        pytest.param(["--model", ".", "--map", "prompt"], "FIELD=COLUMN", id="a mapping without a column"),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_message(pairs: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(FathomError, match=message):
        judge(pairs, *arguments)


def test_rows_with_more_or_fewer_responses_can_be_skipped_by_a_judge_of_pairs(says_a: Path, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.jsonl"
    lists = tmp_path / "lists.jsonl"
    rows = [{"id": str(n), "prompt": "Task", "responses": list("abc"[:n])} for n in (2, 3, 1)]
    lists.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(FathomError, match=r"lists.jsonl:2: responses: MixJudge judges 2 at a time"):
        judge(lists, "--model", says_a, "--out", out)
    judge(lists, "--model", says_a, "--out", out, "--on-error", "skip")
    assert [row["id"] for row in rows_of(out)] == ["2"]
    assert [row["line"] for row in rows_of(tmp_path / "verdicts.jsonl.skipped.jsonl")] == [2, 3]


def test_a_judge_of_pairs_names_judges_of_single_responses(says_a: Path, tmp_path: Path) -> None:
    single = tmp_path / "single.jsonl"
    single.write_text(json.dumps({"id": "r1", "prompt": "Task", "responses": ["a"]}))
    with pytest.raises(FathomError, match=r"has 1 response \(for example libra, verifier, yes_no and spct"):
        judge(single, "--model", says_a)


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_scores_cannot_be_counted_where_a_judge_gives_none(
    pairs: Path, says_a: Path, tmp_path: Path, aggregate: str
) -> None:
    out = tmp_path / "verdicts.jsonl"
    with pytest.raises(
        FathomError, match="MixJudge names a winner without scores; expected majority, or no --aggregate"
    ):
        judge(pairs, "--model", says_a, "--out", out, "--aggregate", aggregate)
    assert not out.with_name("verdicts.jsonl.journal").exists()  # nothing was asked


def test_the_command_prints_a_message_and_no_traceback(pairs: Path) -> None:
    command = [sys.executable, "-c", "from fathom.cli import main; main()", "judge", str(pairs), "--model", "./nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("fathom: there is no folder")
    assert "Traceback" not in done.stderr


def test_an_interrupted_run_says_how_to_go_on_and_keeps_what_is_finished(checkpoint: Path, tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "verdicts.jsonl"
    row = {"prompt": "Task", "response_a": "yes", "response_b": "no", "label": "A"}
    pairs.write_text("".join(json.dumps(row | {"id": n, "prompt": f"Task {n}"}) + "\n" for n in range(3000)))
    small = ["--max-tokens", 8, "--engine-option", "max_batch=16"]  # so that the first completions come soon
    options = ["--model", checkpoint, "--prompt", "trained", *small, "--out", out]
    command = [sys.executable, "-c", "from fathom.cli import main; main()", "judge", pairs, *options]
    journal = tmp_path / "verdicts.jsonl.journal"
    with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None and not _stored(journal):
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, stderr = run.communicate()
    assert run.returncode == 130
    assert f"{journal}: repeat the command" in " ".join(stderr.split())
    assert "Traceback" not in stderr
    assert 0 < _stored(journal) < 3000
    assert not out.exists()


def _stored(journal: Path) -> int:
    if not journal.exists():
        return 0
    with sqlite3.connect(journal) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return int(connection.execute("SELECT count(*) FROM completions").fetchone()[0]) if tables else 0


def test_another_judge_than_the_checkpoints_is_made_with_its_own_settings(pairs: Path, tmp_path: Path) -> None:
    scores = make_parrot(tmp_path / "scores", r"Scores: \boxed{3, 7}")
    (scores / "fathom.json").write_text('{"name": "mix", "style": "breadth", "trained": true}')
    out = tmp_path / "verdicts.jsonl"
    judge(pairs, "--model", scores, "--judge", "spct", "--judge-option", "trained=true", "--no-swap", "--out", out)
    assert [row["scores"] for row in rows_of(out)] == [[3, 7]] * 6
    assert rows_of(out)[0]["rule"]["aggregate"] == "sum"
    assert meta_of(out)["config"]["judge"]["name"] == "spct"
    with pytest.raises(FathomError, match="the judge 'spct' has no setting style; expected rubric, trained, binary"):
        judge(pairs, "--model", scores, "--judge", "spct", "--style", "depth")
