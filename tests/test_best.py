"""`fathom best`: the winning response of each row of results, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fathom.cli import app
from fathom.data.reading import read
from fathom.errors import FathomError
from fathom.judges import Rule
from fathom.judging.winners import Winners
from fathom.rationale import Status
from judged import ranked, row, swapped, vote, written

WON = Rule()(swapped([0, 0]))
LOST = Rule()([vote(Status.MISSING)])


def best(*rows: dict[str, Any], **settings: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    kept = Winners(**settings)
    return list(kept.of(rows)), dict(kept.counts)


def many(*scores: float | None, **fields: Any) -> dict[str, Any]:
    return ranked({(0, 1): WON if any(score is not None for score in scores) else LOST}, scores, **fields)


def test_the_best_response_of_a_ranking_is_kept_with_its_place_score_and_the_sources_columns() -> None:
    [found], counts = best(many(1.0, 3.0, 2.5, metadata={"task_id": 7, "score": "high"}))
    assert found == {
        "prompt": "2 + 2?",
        "completion": "Answer 1",
        "id": "many-1",
        "index": 1,
        "score": 3.0,
        "margin": 0.5,
        "task_id": 7,
        "source_score": "high",
    }
    assert counts == {"written": 1, "unparsed": 0, "tie": 0, "margin": 0}


def test_verdicts_on_pairs_have_a_best_response_too() -> None:
    [found], _ = best(row(swapped([1, 1])), row(swapped([0, 1])), row([vote(Status.MISSING)]))
    assert (found["completion"], found["score"], found["margin"]) == ("5", 2.0, 2.0)


def test_what_is_tied_unreadable_or_too_near_is_left_out_and_counted() -> None:
    rows = [many(2.0, 2.0, 1.0), many(None, None), many(1.0, 0.9), many(1.0, 0.0)]
    found, counts = best(*rows, min_margin=0.5)
    assert [each["margin"] for each in found] == [1.0]
    assert counts == {"written": 1, "unparsed": 1, "tie": 1, "margin": 1}
    found, counts = best(*rows, ties="first")
    assert [each["index"] for each in found] == [0, 0, 0]
    assert counts["tie"] == 0


def test_a_conversation_gets_its_next_message() -> None:
    [found], _ = best(many(0.0, 1.0, prompt=[{"role": "user", "content": "Hi"}]))
    assert found["prompt"] == [{"role": "user", "content": "Hi"}]
    assert found["completion"] == [{"role": "assistant", "content": "Answer 1"}]


def fathom(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_the_verb_writes_rows_and_says_what_it_left_out(tmp_path: Path) -> None:
    source = written(tmp_path / "rankings.jsonl", [many(1.0, 3.0, id="1"), many(2.0, 2.0, id="2")])
    out = tmp_path / "best.jsonl"
    said = fathom("best", source, "--out", out).stderr
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["1"]
    assert "1 best responses of 2 rows" in said
    assert "0 not parsed, 1 tied, 0 below the margin" in said


def test_other_files_are_refused_with_what_to_do_first(tmp_path: Path) -> None:
    candidates = written(tmp_path / "candidates.jsonl", [{"prompt": "?", "responses": ["a", "b"]}])
    with pytest.raises(FathomError, match="expected a row of fathom judge or fathom rank"):
        fathom("best", candidates, "--out", tmp_path / "best.jsonl")
    own = written(tmp_path / "own.jsonl", [json.loads(each.model_dump_json()) for each in read(candidates)])
    with pytest.raises(FathomError, match=r"expected results of .* fathom rank FILE"):
        fathom("best", own, "--out", tmp_path / "best.jsonl")
    alone = row([vote(0)]) | {"responses": ["one"]}
    with pytest.raises(FathomError, match="has 1 response"):
        fathom("best", written(tmp_path / "alone.jsonl", [alone]), "--out", tmp_path / "best.jsonl")
