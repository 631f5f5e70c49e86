"""Layouts of published data and of popular trainers, in small: what each is read as, or with which words refused.

The tables are layouts/read.yaml and layouts/refused.yaml. Shapes (names, types, nesting) are those of real files, the
values are invented.
"""

from __future__ import annotations

import json
import logging
import random
import re
import shlex
import subprocess
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.reading import parse_mapping, read
from fathom.data.records import Comparison
from fathom.errors import FathomError
from strategies import JSON

Row = dict[str, Any]


class Read(NamedTuple):
    """A comparison: its prompt as text, its responses in the order of the source, and its label."""

    prompt: str
    responses: tuple[str, ...]
    label: Row | None = None


class Case(NamedTuple):
    rows: list[Row]
    mapping: list[str]
    reads: list[Read]
    message: str


def cases(name: str) -> dict[str, Case]:
    text = (Path(__file__).parent / "layouts" / name).read_text(encoding="utf-8")
    return {
        case["case"]: Case(
            case["rows"],
            case.get("map", []),
            [Read(one["prompt"], tuple(one["responses"]), one.get("label")) for one in case.get("reads", [])],
            case.get("message", ""),
        )
        for case in yaml.safe_load(text)
    }


READ = cases("read.yaml")
REFUSED = cases("refused.yaml")


def told(comparison: Comparison) -> Read:
    if comparison.source_order:
        order = [comparison.source_order.index(place) for place in range(len(comparison.responses))]
        comparison = comparison.permuted(order)
    label = comparison.label.model_dump(exclude_none=True, mode="json") if comparison.label else None
    return Read(comparison.prompt_text, comparison.responses, label)


def reading(rows: Sequence[Row], mapping: Sequence[str] = ()) -> list[Read]:
    return [told(comparison) for comparison in read(rows, mapping=parse_mapping(mapping))]


def pair(label: Any = None, **more: Any) -> Row:
    return (
        {"prompt": "2 + 2?", "response_a": "4", "response_b": "5"} | more | ({} if label is None else {"label": label})
    )


def turn(role: str, content: Any) -> Row:
    return {"role": role, "content": content}


USER = turn("user", "2 + 2?")


@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_a_layout_is_read_as_a_person_would(case: Case) -> None:
    assert case.reads
    assert reading(case.rows, case.mapping) == case.reads


@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_the_order_of_columns_changes_nothing(case: Case) -> None:
    for seed in range(3):
        shuffled = [dict(random.Random(seed).sample(list(row.items()), len(row))) for row in case.rows]
        assert reading(shuffled, case.mapping) == case.reads


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in READ.items() if len(case.rows) > 1])
def test_the_order_of_rows_changes_nothing(case: Case) -> None:
    for order in permutations(range(len(case.rows))):
        assert reading([case.rows[i] for i in order], case.mapping) == [case.reads[i] for i in order]


@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_a_row_of_nulls_is_a_bad_row_and_changes_no_other(case: Case) -> None:
    found = read([*case.rows, dict.fromkeys(case.rows[0])], mapping=parse_mapping(case.mapping), on_error="skip")
    assert [told(comparison) for comparison in found] == case.reads
    assert [skipped.line for skipped in found.skipped] == [len(case.rows) + 1]


@given(st.sampled_from(sorted(READ)), st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_cells_hold_a_source_is_read_skipped_or_refused_in_words(name: str, data: st.DataObject) -> None:
    rows, mapping, *_ = READ[name]
    spoilt = data.draw(st.dictionaries(st.sampled_from(sorted(rows[0])), JSON | st.floats(), max_size=3))
    try:
        found = read([*rows, {**rows[0], **spoilt}], mapping=parse_mapping(mapping), on_error="skip")
        assert len(list(found)) + len(found.skipped) > len(rows)
    except FathomError as error:
        assert re.search("columns|--map|none of its|counts from 1", str(error)), error  # noqa: PT017


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_would_have_to_be_guessed_is_refused_and_the_mapping_in_the_message_reads_it(case: Case) -> None:
    for source in (case.rows, iter(case.rows)):
        with pytest.raises(FathomError) as refused:
            read(source, mapping=parse_mapping(case.mapping))
        assert case.message in str(refused.value)
    advice = pasted(str(refused.value).split("; ", 1)[-1])
    assert advice
    assert any(leads_on(case.rows, [*case.mapping, *lines]) for lines in ways(advice))


def pasted(message: str) -> list[str]:
    """What a shell makes of the arguments of --map in a message."""
    found = re.findall(r"""--map ((?:'[^']*'|"'"|[^\s;)'"])+)""", message)
    return [argument for quoted in found for argument in shlex.split(quoted)]


def ways(advice: list[str]) -> list[list[str]]:
    """Lines of a message that may belong together; VALUE stands for what the reader knows."""
    given = [line.rstrip(",") for line in advice if "VALUE" not in line and "COLUMN" not in line]
    values = ["label.a=1", "label.b=2", "label.tie=0"]
    return [*([line] for line in given), given[:2], values]


def leads_on(rows: list[Row], mapping: list[str], but: str = "has no effect") -> bool:
    """Whether the rows are read, or the next question is asked: a source may leave several things open."""
    try:
        return bool(reading(rows, mapping))
    except FathomError as error:
        return bool(re.match("rows: .*--map", str(error))) and but not in str(error)


@pytest.mark.parametrize(
    ("row", "mapping", "message"),
    [
        (pair("A"), ["ranking=label"], "--map ranking=label needs a list of responses"),
        ({"prompt": "p", "chosen": "4", "rejected": "5", "n": [1, 2]}, ["scores=n"], "--map scores=n has no effect"),
        ({"prompt": "p", "chosen": "4", "rejected": "5", "n": 1}, ["label=n"], "--map label=n has no effect"),
        (pair(), ["label.a=1"], "--map label.a=1 has no effect"),
        (pair("A"), ["ignore=lable"], "names no column of the rows (did you mean label?)"),
        (pair("A"), ["label=note.winner"], "names no column of the rows"),
        (pair("A", x=[1]), ["ignore=x[0]"], "expected columns, not places inside them"),
        (pair("A"), ["chosen=response_a"], "--map chosen=response_a needs --map rejected=COLUMN"),
        (pair("A"), ["chosen=response_a", "rejected=response_b", "responses=label"], "belong to different layouts"),
        ({"prompt": "p", "responses": ["4", "5"], "n": 2}, ["label=n"], "n counts from 1"),
        (
            {"prompt": "p", "answers": [{"text": "4", "rank": 0}]},
            ["ranking=answers[].rank"],
            "--map 'ranks=answers[].rank'",
        ),
    ],
)
def test_a_mapping_that_does_nothing_is_refused(row: Row, mapping: list[str], message: str) -> None:
    with pytest.raises(FathomError, match=re.escape(message)):
        reading([row], mapping)


SHELL = "a `whoami` $HOME 'b' \"c\" * (x); d"
ODD = {
    "a better and a worse one": {"p": "?", "$(good) answer": "4", "$(bad) answer": "5"},
    "two of equal standing": {"p": "?", "the left answer!": "4", "the right answer!": "5"},
    "scores": pair(**{"score > a": 3, "score > b": 5, "rating | a": 1, "rating | b": 2}),
    "labels": pair(**{"is it better?": "A", "what's better": "B"}),
    "prompts": {"chosen": "4", "rejected": "5", SHELL: "a long text of a prompt"},
    "a comma": {"prompt": "?", "response_a": "4", "response_b": "5", "rating, of a": [1, 2], "score, of b": [1, 2]},
}


@pytest.mark.parametrize("row", ODD.values(), ids=ODD)
def test_advice_can_be_pasted_into_a_shell_whatever_columns_are_called(row: Row) -> None:
    with pytest.raises(FathomError) as refused:
        reading([row])
    advice = re.findall(r"""--map (?:'[^']*'|"'"|[^\s;)'"])+""", str(refused.value))
    line = " ".join(option.rstrip(",") for option in advice)
    seen = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True).stdout
    arguments = [each for each in seen.splitlines() if each != "--map" and not re.search("COLUMN|VALUE", each)]
    assert arguments
    for argument in arguments:
        assert leads_on([row], [argument], but="names no column")


@pytest.mark.parametrize(
    ("mapping", "domains"),
    [
        (
            ["domain=topic", *(f"domain.correctness={word}" for word in ("math", "code, hard"))],
            ["correctness", None] * 2,
        ),
        (["domain=topic", "domain.correctness=math", "domain.preference=chat"], ["correctness", "preference", None]),
        (["domain.preference=chat", "domain=topic"], [None, "preference", None]),
    ],
)
def test_values_of_the_domains_column_mean_what_the_mapping_says(mapping: list[str], domains: list[str | None]) -> None:
    topics = ["math", "chat", "code, hard"]
    found = list(read([pair("A", topic=topic) for topic in topics], mapping=parse_mapping(mapping)))
    assert [comparison.domain for comparison in found] == domains[:3]
    assert [comparison.metadata["topic"] for comparison in found] == topics


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (["domain=topic"], "topic contains chat and math, expected preference and correctness; map them with"),
        (
            ["domain=topic", "domain.correctness=maths"],
            "domain.correctness=maths: topic does not contain 'maths'; its values are chat, math",
        ),
        (["domain.correctness=math"], "--map domain.correctness=math needs --map domain=COLUMN"),
        (
            ["domain=topic", "domain.correctness=math", "domain.preference=math"],
            "'math' is mapped to both preference and",
        ),
    ],
)
def test_values_of_a_domain_that_mean_nothing_are_refused(mapping: list[str], message: str) -> None:
    with pytest.raises(FathomError, match=re.escape(message)):
        reading([pair("A", topic=topic) for topic in ("math", "chat")], mapping)


IMAGE = {"type": "image_url", "image_url": {"url": "x"}}
CALL = {"role": "assistant", "tool_calls": [{"id": 1}]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": [USER, turn("assistant", "6")], "chosen": "4", "rejected": "5"},
            "prompt: ends with an answer of the assistant",
        ),
        (
            {
                "prompt": [turn("user", "3 + 3?")],
                "chosen": [USER, turn("assistant", "4")],
                "rejected": [USER, turn("assistant", "5")],
            },
            "prompt: differs from the turns that both responses share",
        ),
        (
            pair("A", system="Be brief.", prompt=[turn("system", "Be polite."), USER]),
            "system: differs from the system turn of the conversation",
        ),
        (pair(winner_model_a=1, winner_model_b=1), "winner_model_a: got winner_model_a=1, winner_model_b=1, expected"),
        (pair(winner="x", model_a="x", model_b="x"), "winner: got 'x', expected one of the models x and x"),
        ({"prompt": [turn("user", [IMAGE])], "chosen": "4", "rejected": "5"}, "prompt.0.content.0.image_url: got"),
        ({"prompt": "p", "responses": {"a": "4", "b": "5"}}, "--map responses=responses.a,responses.b"),
        ({"messages": [USER], "label": True}, "messages: expected a conversation that ends with an answer"),
        (
            {"prompt": "p", "chosen": {"text": "4", "answer": "5"}, "rejected": "5"},
            "chosen: text and answer could each be the text",
        ),
        (
            {"prompt": "p", "chosen": CALL, "rejected": "5"},
            "chosen.tool_calls: got {'id': 1}, expected a tool call with a name and arguments",
        ),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(row: Row, message: str) -> None:
    with pytest.raises(FathomError) as refused:
        reading([row])
    assert str(refused.value).startswith("rows:1: ")
    assert message in str(refused.value)


def test_an_image_object_is_an_image_whatever_its_column_is_called() -> None:
    image = pytest.importorskip("PIL.Image").new("RGB", (1, 1))
    with pytest.raises(FathomError, match="columns: figure contains images"):
        read([pair("A", figure=image)])


# What is not used ----------------------------------------------------------------------------------------------------


def test_columns_that_are_not_used_are_named_before_a_row_is_read_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="fathom.data.reading"):
        found = read([pair("A", source="exam", n=3, empty=None), pair("B", tools=["f"])])
    assert found.unused == ("source", "n", "tools")
    assert [record.getMessage() for record in caplog.records] == ["columns not used: source, n, tools"]
    assert [comparison.metadata for comparison in found] == [
        {"source": "exam", "n": 3, "empty": None},
        {"tools": ["f"]},
    ]


def test_columns_that_the_caller_reads_are_not_reported_as_unused(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="fathom.data.reading"):
        found = read([pair("A", objective="kindness", n=3)], used=("objective",))
    assert found.unused == ("n",)
    assert [record.getMessage() for record in caplog.records] == ["columns not used: n"]
    assert next(found).metadata["objective"] == "kindness"


def test_what_a_used_column_holds_beside_the_text_is_kept() -> None:
    rows = [
        {
            "question": {"full_text": "2 + 2?", "id": 7},
            "completions": [{"response": "4", "score": 2, "model": "x"}, {"response": "5", "score": 1, "model": "y"}],
        }
    ]
    (comparison,) = read(rows)
    assert comparison.metadata == {"question": {"id": 7}, "completions": [{"model": "x"}, {"model": "y"}]}


def test_nothing_is_said_where_all_columns_are_used(caplog: pytest.LogCaptureFixture) -> None:
    assert read([pair("A", id="1", reference="4")]).unused == ()
    assert not caplog.records


def test_what_each_annotator_said_is_kept() -> None:
    rows = [{"prompt": "p", "response1": "4", "response2": "5", "annotator1": 1, "annotator2": 0, "annotator3": 2}]
    (comparison,) = read(rows)
    assert comparison.label is None
    assert comparison.annotations is not None
    said = {name: label.model_dump(exclude_none=True) for name, label in comparison.annotations.items()}
    assert said == {"annotator1": {"best": 0}, "annotator2": {"scores": (0.5, 0.5)}, "annotator3": {"best": 1}}


# Sources that can be read only once ----------------------------------------------------------------------------------


WINDOW = 20


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fathom.data.reading.WINDOW", WINDOW)


def stream(*late: Row, count: int = WINDOW) -> Any:
    return iter([*({**pair("A"), "id": f"{k}"} for k in range(count)), *late])


@pytest.mark.usefixtures("window")
def test_a_stream_is_read_by_its_first_rows_and_a_late_label_is_an_error() -> None:
    late = pair(id="x")
    assert len(list(read(stream({**late, "source": "s"})))) == WINDOW + 1
    for field in ("winner", "system", "context", "image"):
        rows = [{**row, field: None} for row in stream()]
        with pytest.raises(FathomError, match=rf"rows:{WINDOW + 1}: {field}: first appears after 20 rows"):
            list(read(iter([*rows, {**late, field: "B"}])))
    with pytest.raises(FathomError, match=rf"rows:{WINDOW + 1}: winner: first appears after 20 rows"):
        list(read(stream({**late, "winner": "B"})))
    unlabelled = ({**pair(), "id": f"{k}"} for k in range(WINDOW))
    with pytest.raises(FathomError, match=rf"rows:{WINDOW + 1}: label: first appears after 20 rows"):
        list(read(iter([*unlabelled, pair("A", id="x")])))


@pytest.mark.usefixtures("window")
def test_a_label_in_the_last_row_of_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    rows = [*({**pair(), "id": f"{k}"} for k in range(WINDOW + 5)), pair("B", id="x")]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    *_, last = read(path)
    assert last.label is not None
    assert last.label.winner == 1


# A layout of one's own -----------------------------------------------------------------------------------------------


def test_a_function_of_ones_own_reads_rows(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def comparison(row):\n"
        "    if row['q'] == '':\n"
        "        return None\n"
        "    return {'prompt': row['q'], 'responses': row['r'], 'label': row['best']}\n"
    )
    rows = [{"q": "2 + 2?", "r": ["4", "5"], "best": 0}, {"q": "", "r": [], "best": 0}, {"q": "x", "r": [], "best": 0}]
    for name in ("own.py", "own.py:comparison"):
        found = read(rows, mapping=parse_mapping([f"layout={tmp_path / name}"]), on_error="skip")
        assert [told(comparison) for comparison in found] == [Read("2 + 2?", ("4", "5"), {"best": 0})]
        assert [(skipped.line, skipped.field) for skipped in found.skipped] == [(3, "responses")]
    with pytest.raises(FathomError, match="rows:1: layout: KeyError: 'q'"):
        list(read([pair()], mapping={"layout": str(tmp_path / "own.py")}))
    with pytest.raises(FathomError, match="converts whole rows and cannot be combined with --map prompt"):
        read(rows, mapping={"layout": str(tmp_path / "own.py"), "prompt": "q"})
    twice = read([pair(), pair()], layout=lambda row: Comparison(id="1", prompt="p", responses=("4",)))
    with pytest.raises(FathomError, match="rows:2: id: got '1' again, first seen on line 1"):
        list(twice)
