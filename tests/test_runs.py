"""Runs are found, inspected and exported; a file that is none is named with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from fathom.cli import app
from fathom.errors import FathomError
from fathom.results import runs
from judged import row, swapped

pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')

PAIRS = Path(__file__).parent.parent / "examples" / "pairs.jsonl"


def fathom(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    return result.stdout


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "inner" / "verdicts.jsonl"
    fathom("judge", PAIRS, "--model", "mini", "--style", "depth", "--out", out)
    return out


@pytest.fixture(scope="module")
def rankings(verdicts: Path) -> Path:
    out = verdicts.parent.parent / "rankings.jsonl"
    fathom("rank", PAIRS, "--model", "mini", "--style", "depth", "--out", out)
    return out


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_runs_below_a_folder_are_listed_with_their_figures(verdicts: Path, rankings: Path) -> None:
    told = [json.loads(line) for line in fathom("runs", verdicts.parent.parent, "--json").splitlines()]
    assert [entry["run"] for entry in told] == [str(verdicts), str(rankings)]
    rows = rows_of(verdicts)
    assert [entry["rows"] for entry in told] == [len(rows)] * 2
    assert told[0]["accuracy"] == round(sum(bool(row["correct"]) for row in rows) / len(rows), 3)
    assert told[0]["judge"] == "mix"


def test_a_run_is_inspected(verdicts: Path) -> None:
    [told] = [json.loads(line) for line in fathom("runs", verdicts, "--json").splitlines()]
    votes = [vote for row in rows_of(verdicts) for vote in row["votes"]]
    assert (told["votes"], sum(told["statuses of votes"].values())) == (len(votes), len(votes))
    assert told["config"]["style"] == "depth"
    assert str(PAIRS) in told["inputs"]
    assert "most frequent failures" in fathom("runs", verdicts)


def test_a_journal_is_inspected(verdicts: Path) -> None:
    [told] = [json.loads(line) for line in fathom("runs", runs.open(verdicts).journal, "--json").splitlines()]
    votes = [vote for row in rows_of(verdicts) for vote in row["votes"]]
    assert told["completions"] == len(votes)
    assert told["prompt tokens"] == sum(vote["tokens"]["prompt"] for vote in votes)
    assert told["engine"].startswith("local:")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_verdicts_votes_and_completions_are_exported_whole(verdicts: Path, tmp_path: Path, ending: str) -> None:
    def exported(*arguments: object) -> list[dict[str, Any]]:
        out = tmp_path / f"table.{ending}"
        fathom("export", *arguments, "--out", out)
        return rows_of(out) if ending == "jsonl" else pyarrow.parquet.read_table(out).to_pylist()

    rows = rows_of(verdicts)
    table = exported(verdicts)
    assert [(row["id"], row["winner"], row["responses"]) for row in table] == [
        (row["id"], row["winner"], row["responses"]) for row in rows
    ]
    votes = exported(verdicts, "--votes")
    assert [vote["text"] for vote in votes] == [vote["text"] for row in rows for vote in row["votes"]]
    assert json.loads(votes[0]["rationale"]) == rows[0]["votes"][0]["rationale"]
    completions = exported(runs.open(verdicts).journal)
    assert sorted(each["text"] for each in completions) == sorted(vote["text"] for vote in votes)
    assert rows[0]["responses"][0] in json.loads(completions[0]["messages"])[0]["content"] or len(rows) > 1


def test_rankings_are_exported_without_votes(rankings: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.parquet"
    fathom("export", rankings, "--out", out)
    table = pyarrow.parquet.read_table(out).to_pylist()
    assert [row["scores"] for row in table] == [row["scores"] for row in rows_of(rankings)]
    with pytest.raises(FathomError, match="is a ranking"):
        fathom("export", rankings, "--votes", "--out", out)


def test_the_order_and_the_pairs_of_rankings_are_exported(rankings: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.jsonl"
    fathom("export", rankings, "--out", out)
    rows, table = rows_of(rankings), rows_of(out)
    assert [json.loads(each["order"]) for each in table] == [row["order"] for row in rows]
    assert [each["status"] for each in table] == ["ok"] * len(rows)
    pairs = [json.loads(each["pairs"]) for each in table]
    assert [[pair["winner"] for pair in each] for each in pairs] == [
        [pair["winner"] for pair in row["pairs"]] for row in rows
    ]
    assert "text" not in pairs[0][0]["votes"][0]


@pytest.fixture(scope="module")
def preferences(verdicts: Path) -> Path:
    out = verdicts.parent.parent / "pairs" / "preferences.jsonl"
    fathom("pairs", PAIRS, "--model", "mini", "--style", "depth", "--out", out)
    return out


def test_runs_of_preferences_are_listed_inspected_and_exported(preferences: Path, tmp_path: Path) -> None:
    rows = rows_of(preferences)
    [listed] = [json.loads(line) for line in fathom("runs", preferences.parent, "--json").splitlines()]
    assert (listed["rows"], listed["accuracy"]) == (len(rows), None)
    assert listed["tokens"] == pytest.approx(1112, rel=0.05)  # a greedy text can differ between processors
    [inspected] = [json.loads(line) for line in fathom("runs", preferences, "--json").splitlines()]
    assert (inspected["rows"], inspected["config"]["ties"]) == (len(rows), "skip")
    out = tmp_path / "table.parquet"
    fathom("export", preferences, "--out", out)
    table = pyarrow.parquet.read_table(out).to_pylist()
    assert [(row["id"], row["chosen"], row["probability"]) for row in table] == [
        (row["id"], row["chosen"], row["probability"]) for row in rows
    ]
    with pytest.raises(FathomError, match="contains preferences, not votes"):
        fathom("export", preferences, "--votes", "--out", out)
    with pytest.raises(FathomError, match="is a preference of fathom pairs; expected a row of fathom judge"):
        fathom("score", preferences)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(json.dumps(row(swapped([0]))) + '\n{"id": ', "run.jsonl:2: not JSON", id="torn"),
        pytest.param('{"prompt": "x"}\n', "run.jsonl:1: is not a result row", id="something else"),
        pytest.param("[1]\n", "run.jsonl:1: got list", id="no object"),
    ],
)
def test_what_is_no_run_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(FathomError, match=message):
        list(runs.open(path).rows())


def test_a_missing_run_an_empty_folder_and_another_ending_are_refused(tmp_path: Path, verdicts: Path) -> None:
    with pytest.raises(FathomError, match="no such run"):
        runs.open(tmp_path / "none.jsonl")
    with pytest.raises(FathomError, match="no runs found"):
        fathom("runs", tmp_path)
    with pytest.raises(FathomError, match=r"ends in .jsonl, .parquet, .csv, .tsv, .xlsx"):
        fathom("export", verdicts, "--out", tmp_path / "table.ods")
