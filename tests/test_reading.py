from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import judged
from fathom.data.reading import parse_mapping, read, write_jsonl
from fathom.data.records import Comparison, Label, Message, shuffled_order
from fathom.errors import FathomError
from strategies import JSON, TEXT, comparisons

PAIR = {"prompt": "2 + 2?", "response_a": "4", "response_b": "5", "label": "A"}
USER = {"role": "user", "content": "2 + 2?"}


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def one(row: dict[str, Any], **options: Any) -> Comparison:
    (comparison,) = read([row], **options)
    return comparison


def in_source_order(comparison: Comparison) -> Comparison:
    assert comparison.source_order is not None
    return comparison.permuted([comparison.source_order.index(place) for place in range(len(comparison.source_order))])


# Writing and reading back


@given(st.lists(comparisons(), min_size=1, max_size=4, unique_by=lambda comparison: comparison.id), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_written_comparisons_are_read_back_as_they_were(
    tmp_path: Path, written: list[Comparison], zipped: bool
) -> None:
    path = tmp_path / ("c.jsonl.gz" if zipped else "c.jsonl")
    write_jsonl(path, written)
    assert list(read(path)) == written


def test_what_only_a_later_row_has_is_read_as_well(tmp_path: Path) -> None:
    plain = Comparison(id="1", prompt="p", responses=("a", "b"))
    full = Comparison(
        id="2",
        prompt="p",
        responses=("a", "b"),
        label=Label(best=1),
        reference="b",
        domain="correctness",
        source_order=(1, 0),
        metadata={"k": 1},
    )
    write_jsonl(tmp_path / "c.jsonl", [plain, full])
    assert list(read(tmp_path / "c.jsonl")) == [plain, full]


def test_equal_rows_make_equal_bytes_also_zipped(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_jsonl(tmp_path / name, [PAIR])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = lines(tmp_path / "c.jsonl", PAIR)

    def breaking() -> Iterator[dict[str, Any]]:
        yield PAIR
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_jsonl(path, breaking())
    assert json.loads(path.read_text()) == PAIR
    assert list(tmp_path.iterdir()) == [path]


# Where rows come from


def test_every_kind_of_source_gives_the_same_comparisons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    rows = [{"prompt": f"{k}?", "chosen": f"yes {k}", "rejected": f"no {k}", "n": k} for k in range(5)]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(text)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "lines.json").write_text(text)
    (tmp_path / "array.json").write_text(json.dumps(rows, indent=2))
    (tmp_path / "bom.jsonl").write_text("\ufeff\n" + text)
    write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    sources: list[Any] = [*sorted(tmp_path.iterdir()), str(tmp_path / "a.jsonl"), "-", rows, iter(rows)]
    results = [list(read(source)) for source in sources]
    assert len(results[0]) == 5
    assert all(result == results[0] for result in results)


def test_a_dataset_is_read_from_memory_and_from_its_folder(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason='needs pip install "fathom-rm[train]"')
    table = datasets.Dataset.from_list([PAIR, {**PAIR, "prompt": "3 + 1?"}])
    table.save_to_disk(str(tmp_path / "table"))
    datasets.DatasetDict(train=table, test=table).save_to_disk(str(tmp_path / "splits"))
    assert list(read(table)) == list(read(tmp_path / "table")) == list(read([*table]))
    with pytest.raises(FathomError, match=r"several splits; expected one of .*splits/train"):
        read(tmp_path / "splits")
    with pytest.raises(FathomError, match="train, test; give one of its splits"):
        read(datasets.DatasetDict(train=table, test=table))


def test_a_file_is_read_as_it_is_asked_for() -> None:
    def endless() -> Iterator[dict[str, Any]]:
        number = 0
        while True:
            yield {**PAIR, "id": str(number := number + 1)}

    assert [comparison.id for comparison in read(endless(), limit=3)] == ["1", "2", "3"]


# Layouts


@pytest.mark.parametrize(
    ("row", "prompt", "responses", "winner"),
    [
        ({"prompt": "p", "chosen": "x", "rejected": "y"}, "p", ("x", "y"), 0),
        (
            {"prompt": [USER], "chosen": [answer("x")], "rejected": [answer("y")]},
            (Message(role="user", content="2 + 2?"),),
            ("x", "y"),
            0,
        ),
        (
            {"chosen": [USER, answer("x")], "rejected": [USER, answer("y")]},
            (Message(role="user", content="2 + 2?"),),
            ("x", "y"),
            0,
        ),
        (
            {"prompt": "2 + 2?", "chosen": [USER, answer("x")], "rejected": [USER, answer("y")]},
            (Message(role="user", content="2 + 2?"),),
            ("x", "y"),
            0,
        ),
        (
            {"chosen": "\n\nHuman: Hi\n\nAssistant: x", "rejected": "\n\nHuman: Hi\n\nAssistant: y"},
            (Message(role="user", content="Hi"),),
            ("x", "y"),
            0,
        ),
        (
            {
                "chosen": "\n\nHuman: Hi\n\nAssistant: x\n\nHuman: Why?\n\nAssistant: z",
                "rejected": "\n\nHuman: Hi\n\nAssistant: y",
            },
            (Message(role="user", content="Hi"),),
            ("x\n\nUser: Why?\n\nAssistant: z", "y"),
            0,
        ),
        ({"question": "p", "response_A": "x", "response_B": "y", "label": "B>A"}, "p", ("x", "y"), 1),
        ({"prompt": "p", "answer_a": "x", "answer_b": "y", "winner": "model_a"}, "p", ("x", "y"), 0),
        ({"prompt": "p", "response_a": "x", "response_b": "y", "winner": "tie"}, "p", ("x", "y"), None),
        ({"prompt": "p", "response_a": "x", "response_b": "y", "label": "B>>A"}, "p", ("x", "y"), 1),
        ({"instruction": "p", "input": "i", "response1": "x", "response2": "y", "label": 2}, "p\n\ni", ("x", "y"), 1),
        ({"prompt": "p", "response_0": "x", "response_1": "y", "label": 1}, "p", ("x", "y"), 1),
        ({"context": "p", "response1": "x", "response2": "y", "overall_preference": -2}, "p", ("x", "y"), 0),
        ({"prompt": "p", "response_1": "x", "response_2": "y", "preference_strength": 0}, "p", ("x", "y"), None),
        (
            {"conversation_a": [USER, answer("x")], "conversation_b": [USER, answer("y")], "winner": "model_b"},
            (Message(role="user", content="2 + 2?"),),
            ("x", "y"),
            1,
        ),
        ({"prompt": "p", "responses": ["x", "y", "z"], "label": 2}, "p", ("x", "y", "z"), 2),
        ({"prompt": "p", "responses": ["x", "y", "z"], "ranking": [1, 2, 0]}, "p", ("x", "y", "z"), 1),
        ({"prompt": "p", "responses": ["x", "y"], "scores": [0.5, 0.5]}, "p", ("x", "y"), None),
        ({"prompt": "p", "responses": ["", "y"], "label": 0}, "p", ("", "y"), 0),
    ],
)
def test_a_layout_is_known_by_its_columns(
    row: dict[str, Any], prompt: Any, responses: tuple[str, ...], winner: int | None
) -> None:
    comparison = one(row)
    if "chosen" in row:
        comparison = in_source_order(comparison)
    assert comparison.prompt == prompt
    assert comparison.responses == responses
    assert comparison.label is not None
    assert comparison.label.winner == winner


def test_several_chosen_and_rejected_responses_make_every_pair() -> None:
    row = {"id": 7, "prompt": "p", "chosen": ["a", "b"], "rejected": ["x", "y"], "subset": "s"}
    pairs = [in_source_order(comparison) for comparison in read([row])]
    assert [(pair.id, pair.responses) for pair in pairs] == [
        ("7/0-0", ("a", "x")),
        ("7/0-1", ("a", "y")),
        ("7/1-0", ("b", "x")),
        ("7/1-1", ("b", "y")),
    ]
    assert pairs[1].metadata == {"subset": "s", "chosen": 0, "rejected": 1}


def test_columns_that_no_field_needs_are_kept_as_metadata() -> None:
    assert one({**PAIR, "source": "exam", "domain": "law"}).metadata == {"source": "exam", "domain": "law"}


def test_a_table_s_empty_cells_are_missing_values() -> None:
    comparison = one({**PAIR, "label": float("nan"), "reference": None})
    assert comparison.label is None
    assert comparison.reference is None
    with pytest.raises(FathomError, match="rows:1: response_b: is missing"):
        one({**PAIR, "response_b": float("nan")})


def test_mapping_names_columns_and_what_their_labels_mean() -> None:
    row = {"task": "p", "left": "x", "right": "y", "verdict": "-1", "label": "unrelated"}
    mapping = parse_mapping(
        [
            "prompt=task",
            "response_a=left",
            "response_b=right",
            "label=verdict",
            "label.a=1",
            "label.b=-1",
            "label.tie=0",
        ]
    )
    comparison = one(row, mapping={**mapping, "domain": "correctness"})
    assert (comparison.prompt, comparison.responses, comparison.domain) == ("p", ("x", "y"), "correctness")
    assert comparison.label == Label(best=1)
    assert comparison.metadata == {"label": "unrelated"}


def test_a_field_mapped_to_nothing_is_left_out() -> None:
    assert one({**PAIR, "id": "7"}, mapping={"label": "", "id": ""}).label is None
    assert one({**PAIR, "id": "7"}, mapping={"id": ""}).id != "7"


# Numbers as labels


def numbered(columns: tuple[str, str], *labels: Any) -> list[dict[str, Any]]:
    return [{"prompt": str(k), columns[0]: "x", columns[1]: "y", "label": label} for k, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("columns", "values", "winners"),
    [
        (("response_a", "response_b"), (1, 1, 2), [0, 0, 1]),
        (("response_a", "response_b"), ("1", "2", "tie"), [0, 1, None]),
        (("response_a", "response_b"), (1.0, 2.0, None), [0, 1, "none"]),
        (("output_1", "output_2"), (1, 1), [0, 0]),
        (("response_0", "response_1"), (1, 1), [1, 1]),
    ],
)
def test_numbers_are_read_by_the_responses_names_and_all_of_their_values(
    columns: tuple[str, str], values: tuple[Any, ...], winners: list[Any]
) -> None:
    rows = numbered(columns, *values)
    for source in (rows, iter(rows)):
        found = [c.label.winner if c.label else "none" for c in read(source)]
        assert found == winners


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        (("response_a", "response_b"), (1, 1)),
        (("response_a", "response_b"), (1, 1, 0)),
        (("response_a", "response_b"), (0, 1, 2)),
        (("response_1", "response_2"), (0, 1)),
        (("response_0", "response_1"), (1, 2)),
        (("response_a", "response_b"), (True, False)),
    ],
)
def test_numbers_that_could_mean_two_things_are_never_guessed(columns: tuple[str, str], values: Any) -> None:
    for on_error in ("stop", "skip"):
        with pytest.raises(FathomError, match=r"label: numbers .* could mean .*--map label\.a="):
            list(read(numbered(columns, *values), on_error=on_error))


# Order


CHOSEN = [{"prompt": f"{k}?", "chosen": f"good {k}", "rejected": f"bad {k}"} for k in range(900)]


@pytest.mark.parametrize("seed", range(5))
def test_a_judge_that_always_says_first_is_right_half_of_the_time_and_a_perfect_one_always(seed: int) -> None:
    found = list(read(CHOSEN, seed=seed))
    firsts = sum(comparison.label.winner == 0 for comparison in found if comparison.label)
    assert abs(firsts - len(found) / 2) <= 3 * (len(found) / 4) ** 0.5
    for comparison in found:
        assert comparison.label is not None
        assert comparison.label.winner is not None
        assert comparison.responses[comparison.label.winner].startswith("good")


def test_the_order_depends_on_seed_and_content_only() -> None:
    shuffled = random.Random(0).sample(CHOSEN, len(CHOSEN))
    further = [{**row, "source": "x"} for row in CHOSEN]
    placed = {comparison.id: comparison.responses for comparison in read(CHOSEN, seed=3)}
    assert {
        comparison.id: comparison.responses for comparison in read(shuffled[:400], seed=3)
    }.items() <= placed.items()
    assert {comparison.id: comparison.responses for comparison in read(further, seed=3)} == placed
    assert {comparison.id: comparison.responses for comparison in read(CHOSEN, seed=4)} != placed


@given(st.integers(0, 9), TEXT)
def test_the_drawn_order_is_recorded(seed: int, id: str) -> None:
    comparison = one({"id": id, "prompt": "p", "chosen": "x", "rejected": "y"}, seed=seed)
    assert comparison.source_order == shuffled_order(seed, id, 2)
    assert in_source_order(comparison).responses == ("x", "y")


def test_responses_in_columns_of_equal_standing_keep_the_order_of_the_file() -> None:
    for seed in range(4):
        assert one(PAIR, seed=seed).responses == ("4", "5")


def test_rows_of_the_same_content_have_ids_of_their_own() -> None:
    first, second, third = (comparison.id for comparison in read([PAIR, PAIR, PAIR]))
    assert (second, third) == (f"{first}#2", f"{first}#3")


# What cannot be read


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**PAIR, "label": "C"}, "label: got 'C', expected one of A, B, tie"),
        ({**PAIR, "response_b": None}, "response_b: is missing"),
        ({**PAIR, "response_b": ["x"]}, "response_b: got ['x'], expected text or a list of messages"),
        ({**PAIR, "prompt": ""}, "prompt: got an empty prompt, expected text"),
        ({**PAIR, "prompt": 3}, "prompt: got 3, expected text or a list of messages"),
        (
            {**PAIR, "prompt": [{"role": "narrator", "content": "x"}]},
            "prompt.0.role: got 'narrator', expected one of user, human, ",
        ),
        ("not a row", "row: got 'not a row', expected an object"),
        ({**PAIR, "id": "1"}, "id: got '1' again, first seen on line 1; expected unique ids"),
    ],
)
def test_a_bad_row_is_told_by_file_line_and_field(tmp_path: Path, row: Any, message: str) -> None:
    path = lines(tmp_path / "c.jsonl", {**PAIR, "id": "1"}, "", json.dumps(row), {**PAIR, "id": "3"})
    with pytest.raises(FathomError) as caught:
        list(read(path))
    assert str(caught.value).startswith(f"{path}:3: {message}")
    found = read(path, on_error="skip")
    assert [comparison.id for comparison in found] == ["1", "3"]
    (skipped,) = found.skipped
    assert (skipped.line, skipped.row) == (3, row)
    assert str(skipped) == str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "p", "responses": ["x", "y"], "label": {"best": 2}}, "label: got best 2, expected 0 to 1"),
        ({"prompt": "p", "responses": ["x", "y"], "label": "x"}, "label.best: got 'x', expected: "),
        ({"prompt": "p", "responses": ["x", 3.5, []]}, "responses.2: got []"),
        ({"prompt": "p", "responses": "x"}, "responses: got 'x', expected a list"),
        ({"prompt": "p", "responses": []}, "responses: got [], expected a list"),
        ({"prompt": "p", "responses": ["x"], "scores": [1, 2]}, "label: labels 2 responses, expected 1"),
        (
            {"prompt": "p", "responses": ["x"], "scores": [1], "label": 0},
            "label: expected exactly one of best, ranking",
        ),
        ({"prompt": "p", "chosen": [], "rejected": "y"}, "chosen: got an empty list"),
        ({"chosen": [USER, answer("x")], "rejected": [USER]}, "chosen: continues with a turn of the user"),
        ({"chosen": [answer("x")], "rejected": [answer("y")]}, "chosen: shares no turn with rejected"),
        (
            {"prompt": "else", "chosen": [USER, answer("x")], "rejected": [USER, answer("y")]},
            "prompt: is not among the turns that chosen and rejected share",
        ),
    ],
)
def test_a_row_that_no_layout_allows_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(FathomError) as caught:
        one(row)
    assert str(caught.value).startswith(f"rows:1: {message}")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": "x", "b": "y"}, "no layout fits a, b; name the columns of the responses: --map chosen=COLUMN"),
        ({"responses": ["x", "y"]}, "found no prompt; name its column with --map prompt=COLUMN"),
        ({"chosen": "x", "rejected": "y"}, "found no prompt; name its column with --map prompt=COLUMN"),
        ({"task": "2 + 2?", "chosen": "x", "rejected": "y"}, "found no prompt; name its column with --map prompt=task"),
        ({**PAIR, "chosen": "x", "rejected": "y"}, "more than one layout fits prompt, response_a"),
        ({**PAIR, "output_1": "x", "output_2": "y"}, "more than one layout fits"),
        (
            {**PAIR, "winner": "A"},
            "label and winner could each be the label; choose with --map label=label or --map label=winner",
        ),
        (
            {"question": "p", "context": "c", "response_a": "x", "response_b": "y"},
            "question and context could each be the prompt or a part of it: --map prompt=question --map context=",
        ),
    ],
)
def test_columns_that_fit_no_layout_or_several_are_named_with_the_way_out(row: dict[str, Any], message: str) -> None:
    with pytest.raises(FathomError) as caught:
        one(row)
    assert str(caught.value).startswith(f"rows: columns: {message}")
    assert "--map" in str(caught.value)


@pytest.mark.parametrize("label", [0, None])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_results_are_no_comparisons_and_no_judges_scores_become_labels(label: int | None, on_error: Any) -> None:
    for results in (judged.row(judged.swapped([0, 0]), label=label), judged.ranked({}, (1.0, 0.0))):
        with pytest.raises(FathomError, match=r"rows: contains results.*expected comparisons"):
            one(results, on_error=on_error)


def test_a_mapping_settles_which_layout_is_meant() -> None:
    row = {**PAIR, "chosen": "x", "rejected": "y", "output_1": "l", "output_2": "r"}
    assert one(row, mapping={"response_a": "output_1", "response_b": "output_2"}).responses == ("l", "r")
    assert set(one(row, mapping={"chosen": "chosen"}).responses) == {"x", "y"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"prompt" "p"}', "Expecting ':' delimiter at line 2, column 11; expected one object per line"),
        (b'{"prompt": "\xff"}', "'utf-8' codec can't decode"),
        (b'{"prompt": "\\ud800"}', "'utf-8' codec can't encode"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"prompt": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    ],
)
def test_a_line_that_is_no_json_is_told_and_can_be_skipped(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(json.dumps(PAIR).encode() + b"\n" + line + b"\n")
    with pytest.raises(FathomError) as caught:
        list(read(path))
    assert str(caught.value).startswith(f"{path}:2: JSON: {message}")
    found = read(path, on_error="skip")
    assert len(list(found)) == 1
    assert [skipped.line for skipped in found.skipped] == [2]
    write_jsonl(tmp_path / "skipped.jsonl", found.skipped)
    assert json.loads((tmp_path / "skipped.jsonl").read_text())["row"] == line.decode(errors="replace")


def test_bad_rows_before_the_first_good_one_are_skipped_too(tmp_path: Path) -> None:
    path = lines(tmp_path / "c.jsonl", "{", {"prompt": "p"}, PAIR)
    found = read(path, on_error="skip")
    assert len(list(found)) == 1
    assert [skipped.line for skipped in found.skipped] == [1, 2]


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_source_without_one_readable_row_is_an_error(tmp_path: Path, on_error: Any) -> None:
    with pytest.raises(FathomError, match=r"c\.jsonl: contains no rows; expected at least one"):
        list(read(lines(tmp_path / "c.jsonl"), on_error=on_error))
    with pytest.raises(FathomError, match=r"c\.jsonl:1: JSON"):
        list(read(lines(tmp_path / "c.jsonl", "{", "{"), on_error=on_error))
    with pytest.raises(FathomError, match=r"rows:1: label: got 'C'"):
        list(read([{**PAIR, "label": "C"}], on_error=on_error))


def test_a_source_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("prompt\n")
    with pytest.raises(FathomError, match=r"nowhere\.jsonl: no such file"):
        read(tmp_path / "nowhere.jsonl")
    with pytest.raises(FathomError, match=r"c\.txt: unknown ending; expected one of \.jsonl"):
        read(tmp_path / "c.txt")
    with pytest.raises(FathomError, match="save_to_disk"):
        read(tmp_path)
    with pytest.raises(FathomError, match="unknown field, expected one of id, prompt"):
        read([PAIR], mapping={"respons": "x"})
    with pytest.raises(FathomError, match="expected FIELD=COLUMN"):
        parse_mapping(["prompt"])
    with pytest.raises(
        FathomError, match="--map prompt=task names no column of the rows; expected one of prompt, response_a"
    ):
        list(read([PAIR], mapping={"prompt": "task"}))


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    zipped = gzip.compress(f"{json.dumps(PAIR)}\n".encode() * 1000)
    (tmp_path / "cut.jsonl.gz").write_bytes(zipped[: len(zipped) // 2])
    (tmp_path / "not.jsonl.gz").write_bytes(b"plain")
    (tmp_path / "not.parquet").write_bytes(b"plain")
    for name in ("cut.jsonl.gz", "not.jsonl.gz", "not.parquet"):
        with pytest.raises(FathomError, match=f"{name}: cannot be read"):
            list(read(tmp_path / name))


MESSAGES = st.lists(st.fixed_dictionaries({"role": TEXT | st.just("assistant"), "content": JSON}), max_size=3)
DIALOGUE = "\n\nHuman: Hi\n\nAssistant: x"
CELLS = JSON | MESSAGES | st.floats() | st.lists(TEXT, max_size=3) | st.just(DIALOGUE)
READABLE: list[dict[str, Any]] = [
    {**PAIR, "id": "1", "reference": "4", "domain": "correctness"},
    {"id": "1", "instruction": "p", "input": "i", "response1": "x", "response2": "y", "annotator1": 1, "annotator2": 2},
    {"context": [USER], "response_1": "x", "response_2": "y", "overall_preference": 1},
    {"prompt": "p", "chosen": ["x", "y"], "rejected": "z"},
    {"chosen": DIALOGUE, "rejected": DIALOGUE},
    {"prompt": [USER], "chosen": [answer("x")], "rejected": [answer("y")]},
    {"prompt": "p", "responses": ["x", "y"], "label": {"best": 0}, "source_order": [1, 0], "metadata": {}},
    {"prompt": "p", "responses": ["x", "y"], "scores": [1, 2]},
]


@st.composite
def sources(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A good row, and rows of its layout in which up to two cells hold anything."""
    good = draw(st.sampled_from(READABLE))
    cells = st.dictionaries(st.sampled_from(sorted(good)), CELLS, max_size=2)
    return good, [{**good, **spoilt} for spoilt in draw(st.lists(cells, max_size=3))]


@given(sources())
@settings(max_examples=300)
def test_whatever_the_cells_hold_rows_are_read_or_skipped_with_a_reason(
    source: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    good, rows = source
    try:
        found = read([{**good, "id": "good"}, *rows], on_error="skip")
    except FathomError as error:
        assert "could mean either response" in str(error)  # noqa: PT017 - numbers of a label column are read as a whole
        return
    ids = [comparison.id for comparison in found]
    assert ids[0].startswith("good")
    assert len(set(ids)) == len(ids)
    assert len(ids) + len(found.skipped) > len(rows)


# Published data, where it is


@pytest.mark.parametrize(
    ("file", "count", "firsts", "ties"),
    [
        ("judgebench/pairs_gpt.jsonl.gz", 271, 151, 0),
        ("judgebench/pairs_claude.jsonl.gz", 210, 113, 0),
        ("llmbar/dataset/LLMBar__Natural.jsonl.gz", 100, 42, 0),
        ("llmbar/dataset/LLMBar__Adversarial__Neighbor.jsonl.gz", 134, 75, 0),
        ("llmbar/dataset/Processed__MT-Bench.jsonl.gz", 200, 101, 0),
        ("autoj_pairwise/pairs.jsonl.gz", 1011, 372, 278),
        ("pandalm/testset-v1.jsonl.gz", 729, 308, 78),
        ("rm_bench/chat_filtered.jsonl.gz", 94 * 9, None, 0),
        ("hh_rlhf_harmless_base_test/test.jsonl.gz", 1757, None, 0),
    ],
)
def test_published_data_is_read_without_a_mapping(file: str, count: int, firsts: int | None, ties: int) -> None:
    """`firsts` of None: the winner is in a column of its own, so it comes first in about half of the comparisons."""
    folder = os.environ.get("FATHOM_DATA")
    if not folder or not (Path(folder) / file).exists():
        pytest.skip(f"FATHOM_DATA names no folder with {file}")
    winners = [comparison.label.winner for comparison in read(Path(folder) / file) if comparison.label]
    assert len(winners) == count
    assert winners.count(None) == ties
    if firsts is None:
        assert abs(winners.count(0) - count / 2) <= 3 * (count / 4) ** 0.5
    else:
        assert winners.count(0) == firsts
