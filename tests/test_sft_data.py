"""Training files of SFT: every format and both of TRL's layouts; preference data is refused in words that help."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fathom.errors import FathomError
from fathom.train.data import read

TEXTS = {"prompt": "compute 3 + 4", "completion": "Final verdict: [[A]]"}
MESSAGES = {
    "prompt": [{"role": "user", "content": "compute 3 + 4"}],
    "completion": [{"role": "assistant", "content": "Final verdict: [[A]]"}],
}


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def examples(path: Path) -> list[dict[str, Any]]:
    return [example.model_dump() for example in read([path])]


def test_texts_are_read_as_messages_are(tmp_path: Path) -> None:
    assert examples(written(tmp_path / "d.jsonl", TEXTS, MESSAGES)) == [MESSAGES, MESSAGES]


def test_blank_lines_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    assert (
        examples(written(tmp_path / "d.jsonl", "\ufeff" + json.dumps(MESSAGES), "", "  ", MESSAGES, ""))
        == [MESSAGES] * 2
    )


def test_other_formats_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(f"{json.dumps(MESSAGES)}\n".encode()))
    (tmp_path / "d.json").write_text(json.dumps([MESSAGES], indent=1))
    (tmp_path / "d.csv").write_text("prompt,completion\ncompute 3 + 4,Final verdict: [[A]]\n")
    write_table(pyarrow.Table.from_pylist([MESSAGES]), tmp_path / "d.parquet")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 4
    assert [examples(path) for path in paths] == [[MESSAGES]] * 4


def test_nulls_that_a_table_put_in_and_further_keys_do_not_matter(tmp_path: Path) -> None:
    filled = {
        "prompt": [{**MESSAGES["prompt"][0], "name": None, "tool_calls": None}],
        "completion": [{**MESSAGES["completion"][0], "weight": 1}],
        "id": "x",
        "chosen": None,
    }
    assert examples(written(tmp_path / "d.jsonl", filled)) == [MESSAGES]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "p", "chosen": "x", "rejected": "y"}, "row: has chosen, rejected, which is preference data"),
        ({"prompt": "p", "response_a": "x", "response_b": "y"}, "has response_a, response_b, which is preference data"),
        ({"prompt": "p", "responses": ["x"]}, "`fathom train rlvr` trains on comparisons directly"),
        ({**TEXTS, "label": False}, "label: is a boolean that rates the completion (KTO's layout)"),
        ({"messages": [*MESSAGES["prompt"], *MESSAGES["completion"]]}, "prompt: is missing; the row has messages"),
        ({"prompt": "p"}, "completion: is missing; the row has prompt; expected prompt and completion"),
        ({**TEXTS, "completion": ""}, "completion: is missing"),
        ({**MESSAGES, "completion": MESSAGES["prompt"]}, "completion: has turns of user, expected one turn"),
        ({**MESSAGES, "completion": MESSAGES["completion"] * 2}, "expected one turn of the assistant"),
        ({**TEXTS, "prompt": 3}, "prompt: got 3, expected text or a list of messages"),
        ("{", "JSON: Expecting property name"),
        ("[1]", "each line contains a list"),
    ],
)  # fmt: skip
def test_what_is_no_example_is_named_with_what_to_do(tmp_path: Path, row: Any, message: str) -> None:
    path = written(tmp_path / "d.jsonl", row, TEXTS)
    with pytest.raises(FathomError) as refused:
        examples(path)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{path}:")
