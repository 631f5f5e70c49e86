"""`fathom rank` and `fathom pairs`, with the shipped small model: order out, what is missing said, nothing made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fathom.cli import app
from fathom.errors import FathomError
from fathom.metrics.rankings import summary, tally

pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')

ANSWERS = Path(__file__).parent.parent / "examples" / "answers.jsonl"


def fathom(verb: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, [verb, *map(str, arguments)], catch_exceptions=False)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def meta_of(path: Path) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads(path.with_name(f"{path.name}.meta.json").read_text())
    return meta


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So that the model is asked once for what several tests need."""
    return tmp_path_factory.mktemp("journal") / "journal"


def test_the_summary_can_be_computed_again_from_the_rankings(tmp_path: Path, journal: Path) -> None:
    out = tmp_path / "rankings.jsonl"
    fathom("rank", ANSWERS, "--model", "mini", "--style", "breadth", "--journal", journal, "--out", out)
    rows = rows_of(out)
    assert json.loads(json.dumps(summary(tally(rows)))) == meta_of(out)["summary"]
    assert [len(row["pairs"]) for row in rows] == [3, 6, 1]
    assert [row["kendall_tau"] is None for row in rows] == [True, False, True], "only the second has a full ranking"
    for row in rows:
        assert row["correct"] == (row["winner"] == row["label"])
        assert all(len(pair["votes"]) == 2 for pair in row["pairs"]), "both orders by default"


def test_a_knock_out_asks_less_and_shares_the_journal(tmp_path: Path, journal: Path) -> None:
    out = tmp_path / "best.jsonl"
    options = ("--style", "breadth", "--schedule", "knock-out", "--no-swap", "--limit", 2)
    fathom("rank", ANSWERS, "--model", "mini", *options, "--journal", journal, "--out", out)
    assert all(len(row["pairs"]) >= len(row["scores"]) - 1 for row in rows_of(out))
    assert all(len(pair["votes"]) == 1 for row in rows_of(out) for pair in row["pairs"])


def test_pairs_that_are_cut_off_are_missing_and_score_nothing(tmp_path: Path) -> None:
    out, left = tmp_path / "rankings.jsonl", tmp_path / "preferences.jsonl"
    options = ("--model", "mini", "--style", "depth", "--max-tokens", 3, "--limit", 1)
    fathom("rank", ANSWERS, *options, "--out", out)
    [row] = rows_of(out)
    assert row["missing"] == [[0, 1], [0, 2], [1, 2]]
    assert (row["winner"], row["order"], row["scores"], row["correct"]) == (None, [], [None] * 3, None)
    result = fathom("pairs", ANSWERS, *options, "--out", left)
    assert left.read_text() == ""
    assert "0 preferences of 1 comparisons; left out: 1 with a pair that could not be read" in result.stderr


def test_preferences_are_in_trls_layout_as_text_and_as_messages(tmp_path: Path, journal: Path) -> None:
    answers = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    talk = answers[1] | {"id": "talk", "prompt": [{"role": "user", "content": answers[1]["prompt"]}]}
    source, out = tmp_path / "answers.jsonl", tmp_path / "preferences.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in (answers[1], talk)))
    fathom("pairs", source, "--model", "mini", "--style", "breadth", "--journal", journal, "--out", out)
    text, messages = rows_of(out)
    best, worst = (answers[1]["responses"][i] for i in (1, 0))
    prompt = answers[1]["prompt"]
    assert text == {
        "schema": 2,
        "prompt": prompt,
        "chosen": best,
        "rejected": worst,
        "margin": 3.0,
        "probability": 1.0,
        "chosen_votes": 2,
        "rejected_votes": 0,
        "tied_votes": 0,
        "chosen_index": 1,
        "rejected_index": 0,
        "id": "answers-2",
    }
    assert messages["prompt"] == [{"role": "user", "content": prompt}]
    assert messages["chosen"] == [{"role": "assistant", "content": best}]
    assert messages["rejected"] == [{"role": "assistant", "content": worst}]
    assert meta_of(out)["summary"]["counts"] == {"written": 2}


@pytest.mark.parametrize("verb", ["rank", "pairs"])
def test_a_row_with_one_response_is_named_and_stops_the_run_or_is_skipped_and_kept(verb: str, tmp_path: Path) -> None:
    answers = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    alone = answers[0] | {"id": "alone", "responses": ["only one"], "label": 0}
    source, out = tmp_path / "answers.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in (answers[2], alone, answers[2] | {"id": "last"})))
    given = (verb, source, "--model", "mini", "--style", "depth", "--out", out)
    with pytest.raises(FathomError, match=r"answers.jsonl:2: responses: comparison 'alone' has 1 response"):
        fathom(*given)
    result = fathom(*given, "--on-error", "skip")
    assert [row["id"] for row in rows_of(out)] == ["answers-3", "last"]
    assert "answers.jsonl:2: responses: comparison 'alone' has 1 response" in result.stderr
    [skipped] = rows_of(tmp_path / "out.jsonl.skipped.jsonl")
    assert (skipped["line"], skipped["row"]["id"]) == (2, "alone")


def test_rankings_hold_what_each_vote_wrote_unless_that_is_left_out(tmp_path: Path, journal: Path) -> None:
    given = ("rank", ANSWERS, "--model", "mini", "--style", "breadth", "--journal", journal, "--limit", 1, "--out")
    fathom(*given, tmp_path / "with.jsonl")
    fathom(*given, tmp_path / "without.jsonl", "--no-texts")
    [kept], [bare] = (rows_of(tmp_path / name) for name in ("with.jsonl", "without.jsonl"))
    votes = [vote for pair in kept["pairs"] for vote in pair["votes"]]
    assert votes
    assert all("Final verdict" in vote["text"] for vote in votes)
    bare_votes = [vote for pair in bare["pairs"] for vote in pair["votes"]]
    assert [(vote["text"], vote["rationale"]) for vote in bare_votes] == [("", None)] * len(votes)
    assert [pair["share"] for pair in kept["pairs"]] == [pair["share"] for pair in bare["pairs"]]


def test_votes_that_cannot_differ_are_refused() -> None:
    with pytest.raises(FathomError, match="expected a higher temperature"):
        fathom("rank", ANSWERS, "--model", "mini", "--votes", 3)
