"""The pages say what is so: links lead somewhere, examples give what is shown below them.

`python tests/test_docs.py` writes the outputs of the commands in docs/judging.md, ranking.md and measuring.md anew.
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fathom.cli._figures import VERDICTS
from fathom.cli._options import fields_of
from fathom.engines.local import LocalEngine
from fathom.engines.openai import OpenAIEngine
from fathom.errors import FathomError
from fathom.layouts import FIELDS
from fathom.metrics.baselines import RULES
from fathom.rationale import Status
from fathom.reading import as_mapping, read
from fathom.settings import JudgingSettings, SourceSettings, flag_of

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG"))]
LAYOUTS = ROOT / "docs" / "layouts.md"
JUDGING = ROOT / "docs" / "judging.md"
RANKING = ROOT / "docs" / "ranking.md"
MEASURING = ROOT / "docs" / "measuring.md"
RUNNABLE = re.compile(r"--model mini|^fathom (score|compare) ")
"""Commands on these pages that need nothing but what is shipped."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    text: str
    before: str
    """The paragraph that stands before it."""


def blocks(page: str) -> list[Block]:
    found, end = [], 0
    for match in FENCE.finditer(page):
        before = page[end : match.start()].strip().split("\n\n")[-1]
        found.append(Block(match[1], match[2], before))
        end = match.end()
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target, heading in links:
        to = (page.parent / target) if target else page
        assert to.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", to.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in anchors


# docs/layouts.md ------------------------------------------------------------------------------------------------------


def examples() -> Iterator[Any]:
    found = blocks(LAYOUTS.read_text(encoding="utf-8"))
    for rows, result in itertools.pairwise(found):
        if rows.language == "jsonl":
            yield pytest.param(rows, result, id=rows.text.split("\n")[0][:60])


@pytest.mark.parametrize(("rows", "result"), examples())
def test_every_example_of_a_layout_is_read_as_shown(rows: Block, result: Block) -> None:
    source = [json.loads(line) for line in rows.text.splitlines()]
    mapping = as_mapping(re.findall(r"--map ([\w.]+=\w+)", rows.before))
    if result.language == "text":
        with pytest.raises(FathomError) as refused:
            list(read(source, mapping=mapping))
        assert str(refused.value) == result.text.strip()
        return
    comparisons = [comparison.model_dump(mode="json") for comparison in read(source, mapping=mapping)]
    shown = json.loads(result.text.replace('"ID', f'"{comparisons[0]["id"]}'))
    assert len(comparisons) == len(shown)
    for comparison, keys in zip(comparisons, shown, strict=True):
        label = comparison["label"]
        comparison["label"] = label and {kind: value for kind, value in label.items() if value is not None}
        assert {"label": None} | keys == {key: comparison[key] for key in {"label": None} | keys}


def test_every_field_of_a_mapping_is_explained_as_the_code_explains_it() -> None:
    table = LAYOUTS.read_text(encoding="utf-8").split("| field | |")[1].split("\n\n")[0]
    assert dict(re.findall(r"^\| `([\w.]+)` \| (.+) \|$", table, re.MULTILINE)) == FIELDS


def test_every_spelling_of_a_label_means_what_the_page_says() -> None:
    table = LAYOUTS.read_text(encoding="utf-8").split("| spelling | means |")[1].split("\n\n")[0]
    pair = {"prompt": "p", "response_a": "a", "response_b": "b"}
    lines = dict(zip(table.strip().split("\n")[1:4], ({"best": 0}, {"best": 1}, {"scores": (0.5, 0.5)}), strict=True))
    for line, label in lines.items():
        for spelling in re.findall(r"`([^`]+)`", line):
            (comparison,) = read([{**pair, "label": spelling}])
            assert comparison.label is not None
            assert comparison.label.model_dump(exclude_none=True) == label, spelling


# docs/judging.md ------------------------------------------------------------------------------------------------------


def with_outputs(page: str) -> str:
    """The page with what its commands really say. Files it shows are made in the present folder."""
    ran = None
    for block in blocks(page):
        if block.language == "jsonl":
            Path(re.findall(r"`([\w.]+)`", block.before)[-1]).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            ran = None
            for command in filter(RUNNABLE.search, block.text.splitlines()):
                ran = judged(command)
        elif ran is not None:
            said = ran[0] if block.language == "text" else pretty(ran[1], json.loads(block.text)["id"])
            page = page.replace(f"```{block.language}\n{block.text}```", f"```{block.language}\n{said}\n```", 1)
    return page


def judged(command: str) -> tuple[str, str]:
    """What a command says to people, and the verdicts that it writes."""
    from typer.testing import CliRunner

    from fathom.cli import app

    arguments = shlex.split(command)[1:]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "110", "FORCE_COLOR": None})
    if isinstance(result.exception, FathomError):
        return f"fathom: {result.exception}", ""
    assert result.exception is None, result.exception
    said = "\n".join(line.rstrip() for line in (result.stderr or result.stdout).strip("\n").split("\n"))
    written = Path(arguments[arguments.index("--out") + 1]).read_text() if "--out" in arguments else result.stdout
    return said, written


def pretty(rows: str, id: str) -> str:
    """A row on several lines: a key a line, and so for each of its votes or pairs."""
    (row,) = (row for row in map(json.loads, rows.splitlines()) if row["id"] == id)
    inner = next((key for key in ("votes", "pairs") if key in row), None)
    if inner is None:
        return object_of(row, " ")
    parts = ",\n".join(f"   {object_of(part, '    ')}" for part in row[inner])
    return object_of(row | {inner: "PARTS"}, " ").replace('"PARTS"', f"[\n{parts}]")


def object_of(values: dict[str, Any], indent: str) -> str:
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return "{" + f",\n{indent}".join(lines) + "}"


@pytest.mark.parametrize("path", [JUDGING, RANKING, MEASURING], ids=lambda path: path.name)
def test_the_commands_on_a_page_say_what_is_shown(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    page = path.read_text(encoding="utf-8")
    assert with_outputs(page) == page


def test_every_key_of_a_row_of_verdicts_is_explained() -> None:
    page = JUDGING.read_text(encoding="utf-8")
    row = json.loads(next(block.text for block in blocks(page) if block.language == "json"))
    of_row, of_vote = page.split("| key | means |")[1:3]
    assert keys(of_row) == set(row)
    assert keys(of_vote) == set(row["votes"][0])


def keys(table: str) -> set[str]:
    cells = re.findall(r"^\| (`[^|]+) \|", table.split("\n\n")[0], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_key_of_a_row_of_rankings_is_explained() -> None:
    page = RANKING.read_text(encoding="utf-8")
    row = json.loads(next(block.text for block in blocks(page) if block.language == "json"))
    assert keys(page.split("| key | means |")[1]) == set(row) | set(row["pairs"][0])


def test_every_line_of_the_table_and_every_rule_is_explained() -> None:
    page = MEASURING.read_text(encoding="utf-8")
    first = {cell.strip() for cell in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)}
    assert {name.replace("rows", "rows, status") for name in VERDICTS if name != "status"} <= first
    assert keys(page.split("| rule | always takes |")[1]) == set(RULES)


def test_every_status_is_explained() -> None:
    table = JUDGING.read_text(encoding="utf-8").split("| status | when |")[1]
    assert keys(table) == set(Status)


def test_every_option_of_judging_and_every_setting_of_an_engine_is_explained() -> None:
    pages = [path.read_text(encoding="utf-8") for path in sorted(JUDGING.parent.glob("*.md"))]
    told = {word for page in pages for word in re.findall(r"--[a-z][a-z-]*", page)}
    fields = [*fields_of(JudgingSettings), *fields_of(SourceSettings)]
    options = {f"--{flag_of(kind, name).replace('_', '-')}" for kind, name, _ in fields}
    assert options - told == set()
    engines = (JUDGING.parent / "engines.md").read_text(encoding="utf-8")
    settings = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| ([^|]+) \|", engines, re.MULTILINE))))
    for engine, positional in ((LocalEngine, {"model"}), (OpenAIEngine, {"model", "limit"})):
        assert set(inspect.signature(engine).parameters) - positional <= settings, engine


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        os.chdir(folder)
        for path in (JUDGING, RANKING, MEASURING):
            path.write_text(with_outputs(path.read_text(encoding="utf-8")), encoding="utf-8")
            sys.stderr.write(f"wrote {path}\n")
