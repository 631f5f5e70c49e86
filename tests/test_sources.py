"""Sources of rows, the errors for files without rows, and tables that are written and read back."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.data.reading import read, write_jsonl
from fathom.data.records import Comparison
from fathom.data.sources import for_sheet, from_sheet, open_data_source
from fathom.errors import FathomError
from fathom.results.export import export
from strategies import TEXT, comparisons

Row = dict[str, Any]
TABLE = {"id": "string", "prompt": "string", "response_a": "string", "response_b": "string", "label": "string"}
PAIR = {"id": "1", "prompt": "2 + 2?", "response_a": "4", "response_b": "5", "label": "A"}
FORMATS = [".jsonl", ".parquet", ".csv", ".tsv", ".xlsx"]


def lines(path: Path) -> list[tuple[int, Any]]:
    return list(open_data_source(path).rows())


# Written and read back -----------------------------------------------------------------------------------------------

CELLS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip() == text)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"prompt": CELLS, "response_a": CELLS, "response_b": CELLS, "label": st.sampled_from(["A", "B", "tie"])}
    ),
    min_size=1,
    max_size=4,
).map(lambda rows: [{"id": f"row {number}", **row} for number, row in enumerate(rows)])


@pytest.mark.parametrize("ending", FORMATS)
@given(rows=ROWS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_that_are_written_are_read_back_from_every_format(tmp_path: Path, ending: str, rows: list[Row]) -> None:
    path = tmp_path / f"rows{ending}"
    assert export(rows, TABLE, path) == len(rows)
    assert [row for _, row in lines(path)] == rows
    read_back, original = list(read(path)), list(read(rows))
    assert read_back == original


@given(st.lists(comparisons(st.text("abc0", min_size=1)), min_size=1, max_size=3, unique_by=lambda item: item.id))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_comparisons_in_tables_are_the_same_comparisons(tmp_path: Path, items: list[Comparison]) -> None:
    """Lists and labels are JSON in a cell. An empty text is a missing value there, so those have a dot."""
    columns = dict.fromkeys(("id", "prompt", "responses", "label"), "string")
    rows = [
        {
            "id": f"i{item.id}",
            "prompt": f".{item.prompt_text.strip()}",
            "responses": [f".{response}" for response in item.responses],
            "label": item.label.model_dump(exclude_none=True, mode="json") if item.label else None,
        }
        for item in items
    ]
    expected = [Comparison.model_validate(row) for row in rows]
    for ending in (".jsonl", ".csv", ".xlsx"):
        export(rows, columns, tmp_path / f"items{ending}")
        assert list(read(tmp_path / f"items{ending}")) == expected


@given(TEXT)
def test_characters_that_a_sheet_cannot_hold_are_escaped_and_come_back(text: str) -> None:
    assert from_sheet(for_sheet(text)) == text


def test_texts_stay_texts_in_a_spreadsheet(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "007", "TRUE", "2024-01-01", "#N/A", "a\r\nb", "\x07", "_x0041_", "x" * 32_767]
    rows = [{**PAIR, "id": f"{number}", "prompt": text} for number, text in enumerate(texts)]
    export(rows, TABLE, tmp_path / "t.xlsx")
    assert [comparison.prompt for comparison in read(tmp_path / "t.xlsx")] == texts


def test_what_does_not_fit_into_a_sheet_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(FathomError, match=r"t\.xlsx: row 1: prompt: has 32,768 characters, expected at most 32,767"):
        export([{**PAIR, "prompt": "x" * 32_768}], TABLE, tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []


# Tables --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "prompt,response_a,response_b,label\n2 + 2?,4,5,A\n"),
        ("c.csv", "\ufeffprompt;response_a;response_b;label\r\n2 + 2?;4;5;A\r\n"),
        ("c.csv", 'Prompt,"Response A","Response B",Label\n\n"2 + 2?","4","5","A"\n\n'),
        ("c.tsv", "prompt\tresponse_a\tresponse_b\tlabel\n2 + 2?\t4\t5\tA\n"),
        ("C.CSV", "prompt,response_a,response_b,label\n2 + 2?,4,5,A\n"),
        ("c.csv", 'prompt,responses,scores\n2 + 2?,"[""4"", ""5""]","[1, 0]"\n'),
        ("c.csv", "prompt,responses,scores\n2 + 2?,\"['4', '5']\",\"[1, 0]\"\n"),
        ("c.csv", 'messages,rejected_response\n"[{""role"":""user"",""content"":""2 + 2?""},'
                  '{""role"":""assistant"",""content"":""4""}]",5\n'),
        ("c.csv", "prompt,chosen,rejected\n\"[{'role': 'user', 'content': '2 + 2?'}]\",4,5\n"),
        ("c.csv", "prompt,response_a,response_b,score_a,score_b\n2 + 2?,4,5,0.9,1e-1\n"),
        ("c.csv", "prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n2 + 2?,4,5,1,0,0\n"),
    ],
)  # fmt: skip
def test_tables_of_text_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    (comparison,) = read(tmp_path / name)
    assert comparison.prompt_text == "2 + 2?"
    assert comparison.label is not None
    assert comparison.label.winner is not None
    assert comparison.responses[comparison.label.winner] == "4"
    assert sorted(comparison.responses) == ["4", "5"]


def test_a_row_of_a_table_is_told_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    text = 'prompt,response_a,response_b,label\n"two\nlines",4,5,A\nx,4,5\ny,4,5,A,6\n"z",4,5,sure\n'
    (tmp_path / "c.csv").write_text(text)
    found = read(tmp_path / "c.csv", on_error="skip")
    assert [comparison.prompt for comparison in found] == ["two\nlines"]
    assert [(skipped.line, skipped.field, skipped.message) for skipped in found.skipped] == [
        (4, "row", "has 3 cells, expected 4: prompt, response_a, response_b, label"),
        (5, "row", "has 5 cells, expected 4: prompt, response_a, response_b, label"),
        (6, "label", "got 'sure', expected one of A, B, tie, or a spelling declared with "
                     "--map label.a=, label.b= or label.tie="),
    ]  # fmt: skip


def test_an_empty_cell_is_a_missing_value(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("prompt,response_a,response_b,label\n2 + 2?,4,5,\n2 + 2?,4,,A\n")
    found = read(tmp_path / "c.csv", on_error="skip")
    assert [comparison.label for comparison in found] == [None]
    assert [str(skipped) for skipped in found.skipped] == [
        f"{tmp_path / 'c.csv'}:3: response_b: is missing, expected text; empty text is allowed"
    ]


def test_long_cells_and_quotes_in_the_middle_are_read(tmp_path: Path) -> None:
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "response_a", "response_b"], ["p", "x" * 300_000, 'a "quoted" word']])
    (comparison,) = read(tmp_path / "c.csv")
    assert [len(response) for response in comparison.responses] == [300_000, 15]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"prompt,prompt,response_a,response_b\na,b,c,d\n", "the column 'prompt' occurs twice"),
        (b'prompt,response_a,response_b\n"a,b,c\n', "check for an unclosed quote"),
        ("prompt,response_a,response_b\na,b,ö\n".encode("utf-16"), "expected UTF-8 text"),
        (b"", "contains no rows; expected at least one"),
        (b"prompt,response_a,response_b\n", "contains no rows; expected at least one"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.csv").write_bytes(content)
    with pytest.raises(FathomError, match=message):
        list(read(tmp_path / "c.csv"))


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason='needs pip install "fathom-rm[tables]"')
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_the_only_sheet_that_is_not_empty_is_read(tmp_path: Path) -> None:
    header, row = ["Prompt", "Response A", "Response B", "Winner", None], ["2 + 2?", 4, 5, "A"]
    path = workbook(tmp_path / "c.xlsx", empty=[], rows=[header, [], row, [None]])
    assert list(read(path)) == list(read([{"Prompt": "2 + 2?", "Response A": 4, "Response B": 5, "Winner": "A"}]))
    path = workbook(tmp_path / "c.xlsx", one=[header, row], two=[header, row])
    with pytest.raises(FathomError, match=r"c\.xlsx: has the sheets one, two; expected a single non-empty sheet"):
        read(path)


def test_a_formula_without_a_saved_value_is_not_taken_for_nothing(tmp_path: Path) -> None:
    path = workbook(tmp_path / "c.xlsx", rows=[["prompt", "response_a", "response_b", "label"], ["p", "4", "5", "=A1"]])
    with pytest.raises(FathomError, match=r"c\.xlsx:2: label: contains a formula without a value"):
        list(read(path))


def test_a_file_that_is_no_spreadsheet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    (tmp_path / "c.xlsx").write_bytes(b"plain")
    (tmp_path / "c.xls").write_bytes(b"old")
    with pytest.raises(FathomError, match=r"c\.xlsx: cannot be read as a spreadsheet"):
        read(tmp_path / "c.xlsx")
    with pytest.raises(FathomError, match=r"c\.xls: unknown ending.*; save it as \.xlsx"):
        read(tmp_path / "c.xls")


# JSON that is something else -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.jsonl", f"[{json.dumps(PAIR)}, {json.dumps(PAIR)}]\n[{json.dumps(PAIR)}]\n",
         "each line contains a list (line 1 has 2 elements), expected one object per line"),
        ("c.json", json.dumps({"easy": [PAIR], "hard": [PAIR]}, indent=1), "is one object with the keys easy, hard"),
        ("c.json", json.dumps({"easy": [PAIR], "hard": [PAIR]}), "is one object with the keys easy, hard"),
        ("c.json", json.dumps({"data": [PAIR]}), "is one object with the keys data"),
        ("c.json", json.dumps({name: {"0": value} for name, value in PAIR.items()}), "is one object with the keys id"),
        ("c.json", json.dumps({name: [cell, cell] for name, cell in PAIR.items()}), "got one list per column"),
        ("c.json", f"{json.dumps(PAIR, indent=1)}\n{json.dumps(PAIR, indent=1)}\n", "objects span several lines"),
        ("c.json", json.dumps([[PAIR]]), "row: got [{'id': '1'"),
    ],
)  # fmt: skip
def test_a_json_file_that_holds_no_rows_is_told_what_it_holds(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FathomError) as refused:
        list(read(tmp_path / name))
    assert message in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / name))


def test_a_broken_first_line_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"prompt": "cut\n' + json.dumps(PAIR) + "\n\n{\n")
    found = read(tmp_path / "c.jsonl", on_error="skip")
    assert len(list(found)) == 1
    assert [skipped.line for skipped in found.skipped] == [1, 4]


# Packed files --------------------------------------------------------------------------------------------------------


def test_packed_files_are_read(tmp_path: Path) -> None:
    text = f"{json.dumps(PAIR)}\n".encode()
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(text))
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"id,prompt,response_a,response_b,label\n1,2 + 2?,4,5,A\n"))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("inside/c.jsonl", text)
        archive.writestr("__MACOSX/inside/._c.jsonl", b"x")
    results = [list(read(path)) for path in sorted(tmp_path.iterdir())]
    assert len(results) == 3
    assert results == [list(read([PAIR]))] * 3


def test_archives_that_hold_several_files_or_another_kind_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    with zipfile.ZipFile(tmp_path / "doc.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    (tmp_path / "not.zip").write_bytes(b"plain")
    (tmp_path / "c.jsonl.bz2").write_bytes(bz2.compress(b"{}"))
    for name, message in {
        "two.zip": "contains a.csv, b.csv; expected an archive of one file",
        "doc.zip": "contains a.txt: unknown ending",
        "not.zip": "cannot be read",
        "c.jsonl.bz2": "unknown ending; expected one of .jsonl",
    }.items():
        with pytest.raises(FathomError) as refused:
            read(tmp_path / name)
        assert message in str(refused.value)


# Tables in memory ----------------------------------------------------------------------------------------------------

ROWS_OF_FRAMES = [
    {"id": "a", "prompt": "2 + 2?", "responses": ["4", "5"], "scores": [1.0, 0.0], "n": 1, "note": None},
    {"id": "b", "prompt": "3 + 3?", "responses": ["6", "7", "8"], "scores": [1.0, 0.0, 0.5], "n": 2, "note": "x"},
]


def test_frames_of_pandas_and_polars_and_arrow_tables_are_read_as_rows_are() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    expected = [told(comparison) for comparison in read(ROWS_OF_FRAMES)]
    frames = [
        pandas.DataFrame(ROWS_OF_FRAMES),
        pandas.DataFrame(ROWS_OF_FRAMES).set_index("id"),
        pandas.DataFrame(ROWS_OF_FRAMES, index=[7, 9]).convert_dtypes(),
        polars.DataFrame(ROWS_OF_FRAMES),
        pyarrow.Table.from_pylist(ROWS_OF_FRAMES),
    ]
    for frame in frames:
        assert [told(comparison) for comparison in read(frame)] == expected


def told(comparison: Comparison) -> Comparison:
    """Without the missing values of tables, which are NaN in some."""
    metadata = {name: value for name, value in comparison.metadata.items() if value == value and value is not None}
    return comparison.model_copy(update={"metadata": metadata})


def test_a_frame_that_came_from_parquet_is_read(tmp_path: Path) -> None:
    """Lists in its cells are arrays of numpy."""
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(ROWS_OF_FRAMES).to_parquet(tmp_path / "c.parquet")
    frame = pandas.read_parquet(tmp_path / "c.parquet")
    assert [told(item) for item in read(frame)] == [told(item) for item in read(tmp_path / "c.parquet")]


def test_frames_that_cannot_be_read_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    with pytest.raises(FathomError, match=r"call its \.collect\(\)"):
        read(polars.DataFrame(ROWS_OF_FRAMES).lazy())
    with pytest.raises(FathomError, match="the column 'prompt' occurs twice"):
        read(pandas.DataFrame([["p", "q", "4", "5"]], columns=["prompt", "prompt", "response_a", "response_b"]))
    with pytest.raises(FathomError, match="expected a file, a table or an iterable of rows"):
        read(7)  # type: ignore[arg-type]


def test_exported_rows_are_a_frame_at_once() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    assert pandas.DataFrame(iter([PAIR])).to_dict("records") == [PAIR]
    assert polars.DataFrame([PAIR]).to_dicts() == [PAIR]


# The hub -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason='needs pip install "fathom-rm[train]"')
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.usefixtures("no_cache")
def test_a_split_of_a_data_set_is_read_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for split, prompt in {"train": "2 + 2?", "test": "3 + 3?"}.items():
        folder.mkdir(exist_ok=True)
        write_jsonl(folder / f"{split}.jsonl", [{**PAIR, "prompt": prompt}])
    assert [comparison.prompt for comparison in read(f"hf:{folder}:train")] == ["2 + 2?"]
    assert [comparison.prompt for comparison in read(f"hf:{folder}:default:test")] == ["3 + 3?"]
    with pytest.raises(FathomError, match=r":valid: cannot be loaded: Unknown split .*\['train', 'test'\]"):
        read(f"hf:{folder}:valid")
    with pytest.raises(FathomError, match=r"give a file in it, or hf:.*:SPLIT"):
        read(folder)


@pytest.mark.usefixtures("no_cache")
def test_a_data_set_that_is_not_here_is_refused_in_one_line() -> None:
    with pytest.raises(FathomError) as refused:
        read("hf:nobody/no-such-data:train")
    assert str(refused.value).startswith("hf:nobody/no-such-data:train: cannot be loaded: ")
    assert "offline, the data set must be in the cache" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_no_path_reaches_no_hub() -> None:
    with pytest.raises(FathomError, match=r"no such file; .*; a data set on the hub is hf:nobody/data:SPLIT"):
        read("nobody/data")
    for name in ("hf:", "hf:nobody/data", "hf:nobody/data:", "hf:a:b:c:d"):
        with pytest.raises(FathomError, match="expected hf:OWNER/NAME:SPLIT"):
            read(name)


# Which files are read ------------------------------------------------------------------------------------------------


def test_a_source_says_which_files_it_is_read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "c.jsonl", [PAIR])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "c.jsonl").read_bytes())))
    assert read(tmp_path / "c.jsonl").files == (tmp_path / "c.jsonl",)
    assert read("-").files == ()
    assert read([PAIR]).files == ()
