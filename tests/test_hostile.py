"""The hostile corpus, and transcripts of real judges: what is misread is counted, what is wrongly sure is refused."""

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fathom.rationale import Reading, Status, parse

CORPUS = sorted((Path(__file__).parent / "hostile").glob("*.yaml"))


def rows() -> Iterator[dict[str, Any]]:
    for path in CORPUS:
        for row in yaml.safe_load(path.read_text(encoding="utf-8")):
            loop = row.pop("repeat", {"text": "", "times": 0})
            yield row | {"file": path.name, "text": loop["text"] * loop["times"] + row["text"]}


def said(reading: Reading) -> dict[str, Any]:
    rationale = reading.rationale
    return {
        "status": str(reading.status),
        "verdict": rationale.verdict,
        "principles": [unit.principle for unit in rationale.units],
        "sub_verdicts": [unit.sub_verdict for unit in rationale.units],
        "trace": bool(rationale.trace),
    }


def misread(row: dict[str, Any]) -> str | None:
    """What was read otherwise than the row expects, in one line; None where all is right."""
    got = said(parse(row["text"], finished=row.get("finished", True)))
    expected = {"verdict": None} | {key: row[key] for key in got if key in row}
    wrong = [f"{key} {got[key]!r}, not {value!r}" for key, value in expected.items() if got[key] != value]
    return f"{row['file']} {row['id']}: " + "; ".join(wrong) if wrong else None


def is_wrongly_sure(row: dict[str, Any]) -> bool:
    reading = parse(row["text"], finished=row.get("finished", True))
    return reading.status is Status.OK and (row["status"], row.get("verdict")) != ("ok", reading.rationale.verdict)


def test_the_corpus_is_large_and_its_rows_have_names_of_their_own() -> None:
    names = Counter(row["id"] for row in rows())
    assert len(names) >= 670
    assert [name for name, count in names.items() if count > 1] == []


def test_at_least_99_in_100_hostile_texts_are_read_as_expected() -> None:
    wrong = [line for row in rows() if (line := misread(row))]
    total = sum(1 for _ in rows())
    assert len(wrong) <= 0.01 * total, f"{len(wrong)} of {total} misread:\n" + "\n".join(wrong)


def test_no_hostile_text_is_given_a_verdict_that_it_does_not_hold() -> None:
    sure = [f"{line}" for row in rows() if is_wrongly_sure(row) and (line := misread(row))]
    assert sure == [], "\n".join(sure)


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_ends_change_nothing(ending: str) -> None:
    for row in rows():
        finished = row.get("finished", True)
        assert parse(row["text"].replace("\n", ending), finished=finished) == parse(row["text"], finished=finished)


def test_a_think_block_in_front_changes_nothing() -> None:
    """Except before a thought that has a mark only at the beginning of the text, and beside other thoughts."""
    plain = [row for row in rows() if not any(mark in row["text"].lower() for mark in MARKS_OF_THOUGHTS)]
    assert len(plain) > 300
    for row in plain:
        finished = row.get("finished", True)
        thought = "<think>Perhaps [[B]]? Final verdict: [[B]] then, or [[A]].</think>\n\n"
        assert parse(thought + row["text"], finished=finished) == parse(row["text"], finished=finished), row["id"]


MARKS_OF_THOUGHTS = (
    "think",
    "thought",
    "<reasoning>",
    "<reflection>",
    "channel|>",
    "assistantfinal",
    "analysiswe",
    "思考】",
)
MARKS_OF_THOUGHTS += ("analysis\nthe", "reasoning steps:", "</scratchpad>", "<inner_monologue>")


# Transcripts of real judges ------------------------------------------------------------------------------------------


def transcripts(name: str) -> list[dict[str, Any]]:
    data = os.environ.get("FATHOM_DATA")
    if data is None:
        pytest.skip("set FATHOM_DATA to the folder that holds the judges' transcripts")
    path = Path(data) / name
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.mark.parametrize(
    "name",
    [
        "outputs_gpt/arena_hard__o1-mini-2024-09-12.jsonl.gz",
        "outputs_claude/arena_hard__claude-3-haiku-20240307.jsonl.gz",
    ],
)
def test_marks_of_another_menu_are_invalid_and_never_a_verdict(name: str) -> None:
    judgments = [judgment for row in transcripts(f"judgebench/{name}") for judgment in row["judgments"] if judgment]
    statuses = Counter(parse(judgment["judgment"]["response"]).status for judgment in judgments)
    assert statuses[Status.OK] == 0
    assert statuses[Status.INVALID] >= 0.97 * len(judgments), statuses


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("outputs_gpt/arena_hard__o1-mini-2024-09-12.jsonl.gz", 0.99),
        ("outputs_claude/arena_hard__claude-3-haiku-20240307.jsonl.gz", 0.95),
    ],
)
def test_the_same_transcripts_with_marks_of_our_menu_are_read_as_meant(name: str, least: float) -> None:
    judgments = [judgment for row in transcripts(f"judgebench/{name}") for judgment in row["judgments"] if judgment]
    judgments = [judgment for judgment in judgments if judgment["decision"]]
    meant = {"A>B": "A", "B>A": "B", "A=B": "tie"}
    read = 0
    for judgment in judgments:
        text = re.sub(r"\[\[([AB])(>+|=)[AB]\]\]", mark_of_ours, judgment["judgment"]["response"])
        verdict = parse(text).rationale.verdict
        assert verdict in (None, meant[judgment["decision"]]), text
        read += verdict is not None
    assert read >= least * len(judgments)


def mark_of_ours(match: re.Match[str]) -> str:
    return "[[C]]" if match[2] == "=" else f"[[{match[1]}]]"


def test_transcripts_that_close_with_a_mark_are_read() -> None:
    answers = [row["answers"] for row in transcripts("rm_r1/rmb_transcripts.jsonl")]
    assert answers
    for answer in answers:
        assert parse(answer).rationale.verdict == answer[answer.rindex("[[") + 2]


def test_transcripts_cut_off_before_their_verdict_have_none() -> None:
    outputs = [row["output"] for row in transcripts("rm_r1/truncated_rewardbench_outputs.jsonl.gz")]
    assert {parse(output, finished=False).status for output in outputs} == {Status.TRUNCATED}
    assert {parse(output).status for output in outputs} <= {Status.TRUNCATED, Status.MISSING}


@pytest.mark.parametrize("model", ["GPT-4", "ChatGPT", "LLaMA2"])
def test_prose_without_a_mark_is_no_verdict(model: str) -> None:
    results = [result for row in transcripts(f"llmbar/runs/{model}.jsonl.gz") for result in row["results"]]
    orders = [order for result in results if isinstance(result, dict) for order in result.values()]
    completions = [order["completion"][0] for order in orders if isinstance(order, dict) and order.get("completion")]
    assert len(completions) > 1000
    assert {parse(completion).status for completion in completions} <= {
        Status.MISSING,
        Status.REFUSED,
        Status.TRUNCATED,
    }
