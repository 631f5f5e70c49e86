"""Input formats and layouts on the command line: messages before the first call, and protected files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fathom.cli import app
from fathom.data.reading import write_jsonl
from fathom.data.sources import open_data_source
from fathom.errors import FathomError
from fathom.results import export as exporting
from fathom.results import runs

pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')

TABLE = "prompt,response_a,response_b,label,exam\nSay hello.,Hello.,No.,A,spring\nSay bye.,No.,Bye.,B,autumn\n"
MODEL = ("--model", "mini", "--no-swap", "--max-tokens", "4")


def fathom(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text(TABLE)
    return path


def test_a_table_is_judged_and_its_unused_columns_are_named_first_and_kept(table: Path, tmp_path: Path) -> None:
    result = fathom("judge", table, *MODEL, "--out", tmp_path / "v.jsonl")
    assert result.stderr.startswith("columns not used: exam\n")
    rows = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert [(row["label"], row["metadata"]) for row in rows] == [(0, {"exam": "spring"}), (1, {"exam": "autumn"})]
    meta = json.loads((tmp_path / "v.jsonl.meta.json").read_text())
    assert list(meta["inputs"]) == [str(table)]


def test_what_would_be_guessed_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,response_a,response_b,label\np,x,y,1\nq,x,y,0\n")
    with pytest.raises(FathomError, match="numbers 0, 1 could mean either response"):
        fathom("judge", path, "--model", tmp_path / "no-such-model", "--out", tmp_path / "v.jsonl")
    assert not (tmp_path / "v.jsonl").exists()


def test_a_run_is_exported_in_every_format_with_the_same_rows(table: Path, tmp_path: Path) -> None:
    fathom("judge", table, *MODEL, "--out", tmp_path / "v.jsonl")
    expected = list(exporting.verdicts(runs.open(tmp_path / "v.jsonl")))
    assert len(expected) == 2
    for ending in (".jsonl", ".parquet", ".csv", ".tsv", ".xlsx"):
        assert "2 rows in" in fathom("export", tmp_path / "v.jsonl", "--out", tmp_path / f"t{ending}").stderr
        rows = [row for _, row in open_data_source(tmp_path / f"t{ending}").rows()]
        assert [row["prompt"] for row in rows] == ["Say hello.", "Say bye."]
        assert [str(row["label"]) for row in rows] == ["0", "1"]
        responses = [row["responses"] for row in rows]
        listed = [json.loads(cell) if isinstance(cell, str) else cell for cell in responses]
        assert listed == [list(row["responses"]) for row in expected]
    with (tmp_path / "t.csv").open(newline="") as file:
        assert next(csv.reader(file)) == list(exporting.VERDICT)


def test_the_files_behind_a_data_set_and_a_layout_of_ones_own_are_not_overwritten(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason='needs pip install "fathom-rm[train]"')
    folder = tmp_path / "data"
    folder.mkdir()
    pair = {"prompt": "p", "response_a": "x", "response_b": "y", "label": "A"}
    write_jsonl(folder / "train.jsonl", [pair])
    own = tmp_path / "own.py"
    own.write_text("def comparison(row): return row\n")
    for source, mapping, out in (
        (f"hf:{folder}:train", [], folder / "train.jsonl"),
        (folder / "train.jsonl", ["--map", f"layout={own}:comparison"], own),
    ):
        before = out.read_bytes()
        with pytest.raises(FathomError):
            fathom("judge", source, *mapping, *MODEL, "--force", "--out", out)
        assert out.read_bytes() == before
