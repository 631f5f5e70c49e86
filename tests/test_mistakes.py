"""Ordinary mistakes: each is one message that names what was wrong, never a traceback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asking import write_sources
from fathom.cli import app
from fathom.errors import FathomError
from judged import row, swapped, written

LATIN = "Caf\xe9".encode("latin-1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that are not what they should be, beside two that are."""
    monkeypatch.chdir(tmp_path)
    write_sources(tmp_path)
    good = row(swapped([0, 1]))
    written(tmp_path / "run.jsonl", [good])
    for name in ("rows.jsonl", "prices.yaml", "template.jinja", "recipe.yaml", "results.jsonl", "card.json", "key"):
        (tmp_path / f"latin-{name}").write_bytes(b'"' + LATIN + b'"\n')
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "zeros.jsonl").write_bytes(b"\0" * 100)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    (tmp_path / "cut.jsonl.gz").write_bytes(b"\x1f\x8b\x08")
    written(tmp_path / "no-votes.jsonl", [{**good, "votes": 3}])
    written(tmp_path / "no-vote.jsonl", [{**good, "votes": [1]}])
    written(tmp_path / "no-scores.jsonl", [{name: value for name, value in good.items() if name != "scores"}])
    written(tmp_path / "no-row.jsonl", [{"id": "1", "metadata": {}}])
    for name, meta in (("bytes", LATIN), ("list", b"[1]"), ("types", b'{"config": 3, "summary": [], "verb": 7}')):
        written(tmp_path / f"meta-{name}.jsonl", [good])
        (tmp_path / f"meta-{name}.jsonl.meta.json").write_bytes(meta)
    return tmp_path


def said(*arguments: str) -> tuple[int, str]:
    """The exit code, and the message. Anything but an error that was foreseen is raised."""
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, FathomError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


JUDGE = ("judge", "pairs.jsonl", "--model", "m", "--base-url", "http://127.0.0.1:9/v1")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param([*JUDGE, "--limit", "9" * 20], 2, "less than or equal to", id="a huge limit"),
        pytest.param([*JUDGE, "--limit", "-1"], 2, "greater than or equal to 1", id="a negative limit"),
        pytest.param([*JUDGE, "--temperature", "nan"], 2, "--temperature", id="nan"),
        pytest.param([*JUDGE, "--max-cost", "inf"], 2, "finite", id="infinity"),
        pytest.param([*JUDGE, "--seed", "9" * 30], 2, "--seed", id="a huge seed"),
        pytest.param(["demo", "--seed", "-1"], 2, "greater than or equal to 0", id="a negative seed"),
        pytest.param(["reproduce", "mix-grm", "--seeds", "0,-1"], 1, "--seeds 0,-1: expected", id="one of several"),
        pytest.param([*JUDGE, "--max-tokens", "0"], 2, "greater than or equal to 1", id="no tokens"),
        pytest.param(["view", "run.jsonl", "--port", "99999"], 2, "65535", id="a port that cannot be"),
        pytest.param([*JUDGE, "--prices", "latin-prices.yaml"], 1, "not a table of prices", id="prices not in UTF-8"),
        pytest.param([*JUDGE, "--prices", "folder.jsonl"], 1, "not a table of prices", id="a folder of prices"),
        pytest.param([*JUDGE, "--judge-option", "sampling=3"], 2, "sampling is set by --temperature", id="sampling"),
        pytest.param([*JUDGE, "--engine-option", "api_key_file=latin-key"], 1, "cannot read the key", id="a key"),
        pytest.param(
            [*JUDGE, "--judge", "rewardbench", "--judge-option", "template=latin-template.jinja"],
            *(1, "latin-template.jinja"),
            id="a template not in UTF-8",
        ),
        pytest.param(["judge", "latin-rows.jsonl", *JUDGE[2:]], 1, "expected UTF-8 text", id="rows not in UTF-8"),
        pytest.param(["judge", "folder.jsonl", *JUDGE[2:]], 1, "folder.jsonl", id="a folder as a file"),
        pytest.param(["judge", "zeros.jsonl", *JUDGE[2:]], 1, "zeros.jsonl:1: JSON", id="zeros"),
        pytest.param(["judge", "deep.json", *JUDGE[2:]], 1, "is nested too deeply", id="a million brackets"),
        pytest.param(["judge", "cut.parquet", *JUDGE[2:]], 1, "cannot be read as Parquet", id="half a table"),
        pytest.param(["judge", "cut.jsonl.gz", *JUDGE[2:]], 1, "cannot be read", id="half an archive"),
        pytest.param(["train", "sft", "latin-recipe.yaml"], 1, "cannot read the recipe", id="a recipe not in UTF-8"),
        pytest.param(["train", "sft", "deep.json"], 1, "is not YAML", id="a recipe of brackets"),
        pytest.param(
            ["report", "run.jsonl", "--card", "latin-card.json"],
            1,
            "expected a card.json of fathom probe",
            id="a card not in UTF-8",
        ),
        pytest.param(["compare", "run.jsonl", "latin-results.jsonl"], 1, "not JSON", id="results not in UTF-8"),
        pytest.param(["runs", "meta-bytes.jsonl"], 1, "meta-bytes.jsonl.meta.json: not JSON", id="provenance as bytes"),
        pytest.param(["runs", "meta-list.jsonl"], 1, "expected a JSON object", id="provenance as a list"),
        pytest.param(["runs", "meta-types.jsonl"], 1, "config: got int, expected an object", id="provenance of 3"),
        pytest.param(["runs", "."], 1, "meta-bytes.jsonl.meta.json: not JSON", id="a folder with such provenance"),
    ],
)
def test_an_ordinary_mistake_is_one_message(arguments: list[str], code: int, message: str) -> None:
    got, told = said(*arguments)
    assert message in told
    assert got == code


READERS = {
    "score": ["score"],
    "votes": ["score", "--votes"],
    "runs": ["runs"],
    "view": ["view", "--out", "page.html"],
    "report": ["report", "--out", "page.html"],
    "export": ["export", "--out", "table.jsonl"],
    "export votes": ["export", "--votes", "--out", "table.jsonl"],
    "best": ["best", "--out", "best.jsonl"],
    "compare": ["compare", "run.jsonl"],
}
"""Verbs that read results, without the file."""


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("no-votes.jsonl", "no-votes.jsonl:1: votes: got int, expected a list"),
        ("no-vote.jsonl", "no-vote.jsonl:1: votes.0: got int, expected a JSON object"),
        ("no-scores.jsonl", "no-scores.jsonl:1: lacks scores"),
        ("no-row.jsonl", "no-row.jsonl:1: "),
        ("zeros.jsonl", "zeros.jsonl:1: not JSON"),
        ("deep.json", "deep.json:1: not JSON"),
        ("latin-results.jsonl", "latin-results.jsonl:1: not JSON"),
        ("folder", "folder"),
        ("nowhere", "nowhere"),
        ("pairs.jsonl", "pairs.jsonl:1: is not a result row"),
    ],
)
@pytest.mark.parametrize("verb", READERS)
def test_results_that_are_none_are_named_with_their_line(verb: str, results: str, message: str, folder: Path) -> None:
    before, *more = READERS[verb]
    arguments = [before, *more, results] if verb == "compare" else [before, results, *more]
    code, told = said(*arguments)
    assert (code, message in told) == (1, True), told


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", lambda content: content[: len(content) // 2]),
        ("model.safetensors", lambda content: b""),
        ("config.json", lambda content: b"{"),
        ("config.json", lambda content: LATIN),
        ("tokenizer.json", lambda content: b"{}"),
        ("fathom.json", lambda content: LATIN),
        ("fathom.json", lambda content: json.dumps({"name": 3}).encode()),
    ],
)
def test_a_damaged_checkpoint_is_named(
    name: str, damage: Callable[[bytes], bytes], checkpoint: Path, folder: Path
) -> None:
    copy: Any = folder / "model"
    copy.mkdir()
    for path in checkpoint.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    there = copy / name
    there.write_bytes(damage(there.read_bytes() if there.exists() else b""))
    code, told = said("judge", "pairs.jsonl", "--model", "model")
    assert "model" in told
    assert code == 1


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    for name in ("pairs.jsonl", "run.jsonl"):
        if os.geteuid() == 0:  # root may read everything, but cannot follow a link to itself
            (folder / name).unlink()
            (folder / name).symlink_to(folder / name)
        else:
            (folder / name).chmod(0)
    for arguments in (JUDGE, ("score", "run.jsonl"), ("view", "run.jsonl", "--out", "page.html")):
        code, told = said(*arguments)
        assert arguments[1] in told
        assert code == 1
