"""`--judge scalar`: a sequence classifier as a reward model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from tiny import make_classifier

RUN = CliRunner()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("scalar"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"question {k}", "chosen": "yes " * k, "rejected": "no"} for k in range(1, 5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_sequence_classifier_is_judged_by_its_scores(checkpoint: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.jsonl"
    result = RUN.invoke(app, ["judge", str(pairs), "--model", str(checkpoint), "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 4
    for row in rows:
        assert row["winner"] == max((0, 1), key=lambda k: row["scores"][k])
    again = RUN.invoke(app, ["judge", str(pairs), "--model", str(checkpoint), "--out", str(out)])
    assert "spent by this run: nothing" in again.output


@pytest.mark.parametrize(
    "flags", [["--temperature", "0.5"], ["--max-tokens", "5"], ["--votes", "2", "--temperature", "1"]]
)
def test_settings_of_sampling_have_no_effect_and_are_refused(checkpoint: Path, pairs: Path, flags: list[str]) -> None:
    result = RUN.invoke(app, ["judge", str(pairs), "--model", str(checkpoint), *flags])
    assert result.exit_code != 0
    assert "has no effect: ScalarRewardModel writes no text" in " ".join(str(result.exception or result.output).split())
