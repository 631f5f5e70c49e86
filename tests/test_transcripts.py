"""`fathom transcripts`: texts that another tool recorded become verdicts, and official scores of these."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines import Completion
from fathom.errors import FathomError
from fathom.judges.arena_hard import ArenaHardJudge
from fathom.judges.llmbar_rating import LLMBarRatingJudge
from fathom.judges.rewardbench import RewardBenchJudge
from fathom.judging.transcripts import Fields, Transcript, TranscriptReader, read_transcripts
from fathom.metrics.comparing import compare
from fathom.results import runs
from judged import row, vote, written

A, B, NONE = "So: [[A]]", "So: [[B]]", "I cannot say."


def pair(id: str = "p1", **fields: Any) -> Comparison:
    return Comparison(**{"id": id, "prompt": f"{id}?", "responses": ("4", "5"), "label": Label(best=0), **fields})


def transcript(*rows: dict[str, Any], **fields: str) -> Transcript:
    [found] = read_transcripts(enumerate(rows, 1), Fields(**fields))
    return found


def read(*rows: dict[str, Any], comparison: Comparison | None = None, **settings: Any) -> dict[str, Any]:
    comparison = comparison or pair()
    judge = settings.pop("judge", RewardBenchJudge())
    reader = TranscriptReader(judge, {comparison.id: comparison}, **settings)
    [found] = reader.rows(read_transcripts(enumerate(rows, 1)))
    return found


def votes(row: dict[str, Any]) -> list[tuple[int | None, tuple[int, ...]]]:
    return [(each["winner"], tuple(each["order"])) for each in row["votes"]]


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}, **more}], "usage": {}}


# Layouts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"id": "p1", "completion": A}, id="a text"),
        pytest.param({"pair_id": "p1", "judgment": A}, id="other names"),
        pytest.param({"id": "p1", "output": {"text": A}}, id="an object"),
        pytest.param({"id": "p1", "response": chat(A)}, id="a chat completion"),
        pytest.param({"custom_id": "p1", "response": {"status_code": 200, "body": chat(A)}}, id="OpenAI's batch"),
        pytest.param(
            {"custom_id": "p1", "result": {"type": "succeeded", "message": {"content": [{"type": "text", "text": A}]}}},
            id="Anthropic's batch",
        ),
        pytest.param({"id": "p1", "text": [A]}, id="a list of one"),
    ],
)
def test_texts_are_found_where_tools_write_them(told: dict[str, Any]) -> None:
    assert transcript(told).completions == (Completion(A),)
    assert votes(read(told)) == [(0, (0, 1))]


def test_columns_and_paths_can_be_named() -> None:
    told = {"key": {"of": 7}, "answers": [{"judge": {"said": A}}, {"judge": {"said": B}}], "text": "the prompt"}
    found = transcript(told, id="key.of", text="answers.judge.said")
    assert (found.id, found.completions) == ("7", (Completion(A), Completion(B)))


def test_what_ended_at_a_limit_was_cut_off_however_that_is_spelt() -> None:
    for reason in ("length", "MAX_TOKENS", "max_tokens"):
        assert transcript({"id": "p1", "text": A, "finish_reason": reason}).completions[0].finish_reason == "length"  # type: ignore[union-attr]
    assert transcript({"id": "p1", "response": chat(A, finish_reason="stop")}).completions == (Completion(A),)
    assert transcript({"id": "p1", "text": A, "reasoning": "Hm."}).completions == (Completion(A, reasoning="Hm."),)


def test_a_call_that_failed_is_a_failed_vote() -> None:
    told = {"custom_id": "p1", "response": None, "error": {"message": "overloaded"}}
    assert transcript({**told, "text": None}, text="text").completions == (None,)
    found = read({"id": "p1", "texts": [A, None]}, shown="both")
    assert [each["status"] for each in found["votes"]] == ["ok", "failed"]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"text": A}, "transcripts:1: no id in the columns text"),
        ({"id": "p1", "n": 1}, "transcripts:1: no column holds the judge's text: id, n"),
        (
            {"id": "p1", "text": A, "output": B},
            "transcripts:1: several columns may hold the judge's text: text, output",
        ),
        ({"id": "p1", "text": 4}, "^transcripts:1: text: got int 4, expected the judge's text"),
        ({"id": "p1", "text": A, "order": "AB"}, r"transcripts:1: order: got 'AB', expected indices from 0"),
        ({"id": "p1", "texts": [A, 4]}, r"^transcripts:1: texts\.1: got int 4"),
        ({"id": "p1", "response": chat(4)}, r"^transcripts:1: response\.choices\.0\.message\.content: got int 4"),  # type: ignore[arg-type]
        ({"id": "p1", "text": A, "swapped": "no"}, "transcripts:1: swapped: got 'no'"),
        ({"id": "p1", "texts": [A, B], "orders": [[0, 1]]}, "transcripts:1: orders: got 1 orders for 2 texts"),
    ],
)
def test_rows_that_say_too_little_are_named(told: dict[str, Any], message: str) -> None:
    with pytest.raises(FathomError, match=message):
        transcript(told)


# Orders ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "shown", "expected"),
    [
        pytest.param([{"order": [1, 0], "text": A}], None, [(1, (1, 0))], id="an order"),
        pytest.param([{"swapped": True, "text": A}], None, [(1, (1, 0))], id="swapped"),
        pytest.param([{"is_flipped": False, "text": B}], None, [(1, (0, 1))], id="not swapped"),
        pytest.param([{"texts": [A, B], "orders": [[0, 1], [1, 0]]}], None, [(0, (0, 1)), (0, (1, 0))], id="orders"),
        pytest.param([{"texts": [A, B]}], "both", [(0, (0, 1)), (0, (1, 0))], id="by turns"),
        pytest.param([{"texts": [A, B]}], "swapped", [(1, (1, 0)), (0, (1, 0))], id="all swapped"),
        pytest.param(
            [{"swapped": False, "text": A}, {"swapped": True, "text": A}], None, [(0, (0, 1)), (1, (1, 0))], id="rows"
        ),
        pytest.param(
            [{"judgments": [{"judgment": {"response": A}}, {"judgment": {"response": B}}], "pair_id": "p1"}],
            None,
            [(0, (0, 1)), (0, (1, 0))],
            id="JudgeBench",
        ),
    ],
)
def test_votes_speak_of_the_responses_that_were_shown(told: list[dict[str, Any]], shown: Any, expected: Any) -> None:
    rows = [{"id": "p1", **each} for each in told]
    assert votes(read(*rows, shown=shown)) == expected


def test_several_texts_without_an_order_are_refused_and_one_is_assumed_to_be_straight() -> None:
    with pytest.raises(FathomError, match="2 texts and no order; give the order of the responses as --shown both"):
        read({"id": "p1", "texts": [A, B]})
    reader = TranscriptReader(RewardBenchJudge(), {"p1": pair()})
    list(reader.rows([transcript({"id": "p1", "text": A})]))
    assert reader.assumed == 1


def test_orders_are_those_of_the_source_also_where_fathom_drew_another() -> None:
    """Of chosen and rejected responses: the tool showed the chosen one first, and Fathom has it second."""
    drawn = pair(responses=("rejected", "chosen"), label=Label(best=1), source_order=(1, 0))
    found = read({"id": "p1", "text": A, "order": [0, 1]}, comparison=drawn)
    assert (found["winner"], found["correct"]) == (1, True)


def test_a_judge_of_one_response_has_a_text_on_each() -> None:
    judge = LLMBarRatingJudge()
    assert read({"id": "p1", "texts": ["7", "3", "9", "5"]}, judge=judge)["scores"] == (8.0, 4.0)
    rows = [{"id": "p1", "order": place, "text": text} for place, text in ((1, "3"), (0, "7"))]
    assert read(*rows, judge=judge)["scores"] == (7.0, 3.0)
    found = read({"id": "p1", "order": 1, "text": "3"}, judge=judge)
    assert found["status"] == "failed"
    with pytest.raises(
        FathomError, match="3 texts on 2 responses, but LLMBarRatingJudge is shown one response at a time"
    ):
        read({"id": "p1", "texts": ["7", "3", "9"]}, judge=judge)
    with pytest.raises(FathomError, match=r"got order .* of 2 responses, but LLMBarRatingJudge is shown one"):
        read({"id": "p1", "order": [0, 1], "text": "7"}, judge=judge)


# Ids ------------------------------------------------------------------------------------------------------------------


def test_ids_are_matched_also_without_the_name_of_the_benchmark_before_them() -> None:
    known = {each.id: each for each in (pair("bench/gpt/p1"), pair("bench/gpt/p2"), pair("bench/claude/p2"))}
    reader = TranscriptReader(RewardBenchJudge(), known)
    [found] = reader.rows([transcript({"id": "p1", "text": A})])
    assert (found["id"], reader.missing) == ("bench/gpt/p1", 2)
    with pytest.raises(
        FathomError, match=r"transcripts:1: the id 'p2' is not in the source; expected ids such as 'bench/gpt/p1'"
    ):
        list(reader.rows([transcript({"id": "p2", "text": A})]))
    skipping = TranscriptReader(RewardBenchJudge(), known, skip=True)
    assert list(skipping.rows([transcript({"id": "p2", "text": A})])) == []
    assert skipping.left_out == ["p2"]


# The verb -------------------------------------------------------------------------------------------------------------


def fathom(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_transcripts_become_a_run_that_is_compared_with_others(tmp_path: Path) -> None:
    source = written(
        tmp_path / "pairs.jsonl",
        [{"id": f"p{n}", "prompt": f"{n}?", "response_a": "4", "response_b": "5", "winner": "A"} for n in range(3)],
    )
    told = written(tmp_path / "told.jsonl", [{"id": f"p{n}", "texts": [text, B]} for n, text in enumerate((A, B))])
    out = tmp_path / "rows.jsonl"
    said = fathom(
        *("transcripts", told, "--judge", "rewardbench", "--source", source, "--shown", "both", "--out", out)
    ).stderr
    assert [each["winner"] for each in rows_of(out)] == [0, None]
    assert "2 comparisons read; 1 of the source have no transcript" in said
    meta = json.loads(out.with_name("rows.jsonl.meta.json").read_text())
    assert (meta["config"]["shown"], meta["summary"]["all"]["correct"]) == ("both", 1)
    other = [row([vote(1)], id=f"p{n}", prompt=f"{n}?") for n in range(3)]
    assert compare(runs.open(out).rows(), other).all.right_to_wrong == 1


def test_rows_may_hold_what_was_judged_themselves(tmp_path: Path) -> None:
    told = written(
        tmp_path / "told.jsonl",
        [
            {"id": "p1", "prompt": "?", "response_a": "4", "response_b": "5", "winner": "A", "judgment": A},
            {"id": "p2", "prompt": "?", "response_a": "4", "response_b": "5", "winner": "B", "judgment": A},
        ],
    )
    result = fathom("transcripts", told, "--judge", "rewardbench")
    assert [json.loads(line)["correct"] for line in result.stdout.splitlines()] == [True, False]
    assert "no order is stated for 2 texts; assumed the order of the source" in result.stderr
    assert "columns not used" not in result.stderr


def test_columns_that_are_neither_read_as_texts_nor_as_what_was_judged_are_named_and_no_others(tmp_path: Path) -> None:
    own = {"prompt": "?", "response_a": "4", "response_b": "5", "winner": "A", "seen": 3}
    recorded = {"key": 7, "output": {"said": [A, B]}, "shown": [[0, 1], [1, 0]], "ended": "stop"}
    told = written(tmp_path / "told.jsonl", [recorded | own])
    named = [f"--map={each}" for each in ("id=key", "text=output.said", "order=shown", "finish_reason=ended")]
    result = fathom("transcripts", told, "--judge", "rewardbench", *named)
    [found] = map(json.loads, result.stdout.splitlines())
    assert (found["id"], found["label"], [vote["winner"] for vote in found["votes"]]) == ("7", 0, [0, 0])
    assert result.stderr.startswith("columns not used: seen\n")
    assert "0 of the source have no transcript" in result.stderr


@pytest.mark.parametrize("field", ["id", "text", "order", "finish_reason"])
def test_a_field_that_names_no_column_is_refused(field: str) -> None:
    with pytest.raises(
        FathomError, match=r"no id in the columns|--map .*=elsewhere.x names no column of the rows; expected one of id"
    ):
        transcript({"id": "p1", "text": A}, **{field: "elsewhere.x"})


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    told = written(tmp_path / "told.jsonl", [{"id": "p1", "text": A}])
    for given, message in {
        (): "--judge is missing",
        ("--judge", "rewardbench", "--source", told, "--benchmark", "judgebench"): "both give the comparisons",
        ("--judge", "rewardbench", "--data", tmp_path): "has no effect without --benchmark",
        ("--judge", "rewardbench", "--map", "prompt=x"): "with a field of id, text, order, finish_reason",
        ("--judge", "rewardbench", "--source", told): "no layout fits|columns",
    }.items():
        with pytest.raises(FathomError, match=message):
            fathom("transcripts", told, *given)


def outputs(*texts: str, label: str = "A>B", id: str = "x1") -> dict[str, Any]:
    judgments = [{"judgment": {"judge_model": "m", "response": text}, "decision": None} for text in texts]
    return {
        "pair_id": id,
        "source": "livebench-math",
        "label": label,
        "judge_name": "arena_hard",
        "judgments": judgments,
    }


def test_the_authors_outputs_of_judgebench_have_their_official_score(tmp_path: Path) -> None:
    told = written(
        tmp_path / "told.jsonl", [outputs("[[A>B]]", "[[B>A]]"), outputs("[[A>B]]", "[[A>B]]", id="x2", label="B>A")]
    )
    out = tmp_path / "rows.jsonl"
    said = fathom("transcripts", told, "--judge", "arena_hard", "--benchmark", "judgebench", "--out", out).stderr
    assert "JudgeBench, overall: 50.00 %" in said
    assert [(each["id"], each["metadata"]["subset"]) for each in rows_of(out)] == [
        ("judgebench/unknown/x1", "Math"),
        ("judgebench/unknown/x2", "Math"),
    ]
    score = json.loads(fathom("score", out, "--json", "-").stdout)[str(out)]["benchmarks"]["judgebench"]
    assert score["figures"]["overall"][0] == 0.5
    data = written(
        tmp_path / "gpt.jsonl",
        [
            {
                "pair_id": "x1",
                "source": "livebench-math",
                "question": "?",
                "response_A": "a",
                "response_B": "b",
                "label": "A>B",
            }
        ],
    )
    written(tmp_path / "claude.jsonl", [json.loads(data.read_text()) | {"pair_id": "y1"}])
    given = ("--judge", "arena_hard", "--benchmark", "judgebench", "--data", tmp_path, "--out", out)
    assert "1 of the source have no transcript" in fathom("transcripts", told, *given).stderr
    assert [each["id"] for each in rows_of(out)] == ["judgebench/gpt/x1", "judgebench/unknown/x2"]


def test_o1_minis_published_score_comes_out_of_its_recorded_texts(tmp_path: Path) -> None:
    folder = os.environ.get("FATHOM_DATA")
    if folder is None:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    told = next((Path(folder) / "judgebench" / "outputs_gpt").glob("arena_hard__o1-mini*"))
    out = tmp_path / "o1-mini.jsonl"
    given = ("--judge", "arena_hard", "--benchmark", "judgebench", "--out", out)
    assert "JudgeBench, overall: 65.71 %" in fathom("transcripts", told, *given).stderr
    score = json.loads(fathom("score", out, "--json", "-").stdout)[str(out)]["benchmarks"]["judgebench"]
    assert round(100 * score["figures"]["overall"][0], 2) == 65.71
    assert score["rows"] == 350


def test_the_judges_own_reader_reads(tmp_path: Path) -> None:
    found = read({"id": "p1", "text": "My final verdict is: [[A>>B]]"}, judge=ArenaHardJudge())
    assert (found["winner"], found["votes"][0]["text"]) == (0, "My final verdict is: [[A>>B]]")
    assert read({"id": "p1", "text": NONE})["status"] == "missing"
