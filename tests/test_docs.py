"""The pages are correct: links lead somewhere, and commands and programs print what is shown below them.

`python tests/test_docs.py` writes the outputs into the pages of `RUN` again.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import itertools
import json
import pkgutil
import re
import runpy
import shlex
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import fathom
from fathom import bench
from fathom.cli import app
from fathom.cli._figures import VERDICTS
from fathom.cli._options import fields_of
from fathom.data.layouts import FIELDS
from fathom.data.reading import parse_mapping, read
from fathom.engines.local import LocalEngine
from fathom.engines.openai import OpenAIEngine
from fathom.errors import FathomError
from fathom.metrics.baselines import RULES
from fathom.rationale import Status
from fathom.settings import JudgingSettings, SourceSettings, flag_of
from serving import Reply, chat, serving

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [*sorted((ROOT / "docs").glob("*.md")), README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
LAYOUTS = ROOT / "docs" / "layouts.md"
JUDGING = ROOT / "docs" / "judging.md"
RANKING = ROOT / "docs" / "ranking.md"
MEASURING = ROOT / "docs" / "measuring.md"
EVAL = ROOT / "docs" / "eval.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
RUN = [README, TUTORIAL, EVAL, TROUBLESHOOTING, JUDGING, RANKING, MEASURING]
"""Pages whose commands and programs are run, and whose outputs are compared."""
FREE = r".*--model mini\b|score|compare |best|panel \w+\.jsonl|transcripts examples|report|export|runs|view .*--out"
RUNNABLE = re.compile(f"^fathom (?={FREE})")
"""Commands that need nothing but what is shipped, and that end by themselves."""

SERVER = re.compile(r"<!-- server: (\w+) -->")
"""Stands before a block whose commands ask a server, and says how that server answers."""
ANSWERS = {
    "401": Reply(401, b'{"error": {"message": "Incorrect API key provided."}}'),
    "404": Reply(404, b'{"error": {"message": "The model `judge-8b` does not exist."}}'),
    "400": Reply(400, b'{"error": {"message": "This model\'s maximum context length is 2048 tokens."}}'),
    "works": chat("Final verdict: [[A]]"),
    "down": None,
}
ADDRESS = "http://localhost:8000/v1"
"""The address of every server on the pages."""

FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    text: str
    before: str
    """The paragraph that stands before it."""
    start: int
    """Where `text` begins in the page."""


def blocks(page: str) -> list[Block]:
    found, end = [], 0
    for match in FENCE.finditer(page):
        before = page[end : match.start()].strip().split("\n\n")[-1]
        found.append(Block(match[2], match[3], before, match.start(3)))
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


@pytest.mark.parametrize("path", [TUTORIAL, TROUBLESHOOTING], ids=lambda path: path.name)
def test_every_command_of_a_page_for_newcomers_is_run(path: Path) -> None:
    shell = [block for block in blocks(path.read_text(encoding="utf-8")) if block.language == "sh"]
    shown = [line for block in shell for line in block.text.splitlines()]
    assert shown == [command for block in shell for command in commands(block)] != []


COMMAND = re.compile(r"^(?:[A-Z_]+=\S* )*fathom (.+?)(?: [|>&]+ .*| &)?$")
INLINE = re.compile(r"`fathom\s([^`]+)`")


def shown_commands(page: str) -> list[list[str]]:
    """The arguments of every `fathom` command of a page: lines of shell blocks, and code within the text."""
    text = page.replace("\\\n", " ")
    shell = [line for block in blocks(text) if block.language == "sh" for line in block.text.splitlines()]
    found = [match[1] for line in shell if (match := COMMAND.match(line.strip()))]
    return [shlex.split(each, comments=True) for each in (*found, *INLINE.findall(FENCE.sub("", text)))]


def unknown(arguments: list[str]) -> list[str]:
    """The verb or the options of a command that the command line does not have. `...`, NAME and the like may be any."""
    command: Any = typer.main.get_command(app)
    while arguments and hasattr(command, "commands") and re.fullmatch(r"[a-z][a-z-]*", arguments[0]):
        if arguments[0] not in command.commands:
            return [name for name in arguments[:1] if name != "audit"]  # the example of a package's own verb
        command, arguments = command.commands[arguments[0]], arguments[1:]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "--version"}
    return [each for each in arguments if re.match(r"--\w", each) and each.split("=")[0] not in known]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_command_of_a_page_has_a_verb_and_options_that_exist(page: Path) -> None:
    """The changelog names commands of earlier versions."""
    wrong = {" ".join(each): unknown(each) for each in shown_commands(page.read_text(encoding="utf-8"))}
    assert {command: names for command, names in wrong.items() if names} == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    page = "```sh\nfathom judg x --model m\nfathom judge x --modell m \\\n  --out y | head\n```\n`fathom train nothing`"
    assert [unknown(each) for each in shown_commands(page)] == [["judg"], ["--modell"], ["nothing"]]


def test_every_method_of_steps_has_a_source_a_file_a_check_and_a_result() -> None:
    table = PROCESS.read_text(encoding="utf-8").split("## Methods\n")[1].split("|---|\n")[1].split("\n\n")[0]
    rows = [line[2:-2].split(" | ") for line in table.splitlines()]
    for method, source, files, *rest in rows:
        assert len(rest) == 2, method
        assert all((source, *rest)), method
        named = re.findall(r"`([\w/.]+)`", files)
        assert named, method
        assert all((ROOT / "src/fathom" / file).exists() for file in named), method
    for method in METHODS_OF_STEPS:
        assert any(row[0].startswith(method) for row in rows), method


PROCESS = ROOT / "docs" / "process.md"
METHODS_OF_STEPS = [
    "ThinkPRM", "GenPRM", "Implicit PRM", "BiPRM", "HRM", "DRM", "ReasonFlux", "UHeads", "PAV", "GroundedPRM, judge",
    "TaTToo", "RPE", "OmegaPRM", "consensus", "SCAN", "FoVer", "GroundedPRM, labels", "AURORA", "SPARK", "HNC", "PSGPO",
    "DreamPRM",
]  # fmt: skip

PUBLIC = {
    "adapters",
    "bench",
    "lab",
    "labelers",
    "metrics",
    "probes",
    "process",
    "report",
    "results",
    "sandbox",
    "scale",
    "serve",
    "synth",
    "train",
}
"""The packages, one per task, from which pages and examples may import beside `fathom` itself."""


PROGRAMS = [*PAGES, *sorted((ROOT / "docs" / "reproductions").glob("*.md")), *sorted((ROOT / "examples").glob("*.py"))]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_pages_and_examples_use_public_names_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    programs = [text] if path.suffix == ".py" else [each.text for each in blocks(text) if each.language == "python"]
    for program in programs:
        for name in names_in(ast.parse(textwrap.dedent(program))):
            first = name.split(".")[1]
            assert first in {*fathom.__all__, *PUBLIC}, f"{name} is no public name"
            assert resolved(name)
    if path.suffix == ".md":  # names in the text, between backticks
        for name in re.findall(r"`(fathom(?:\.[A-Za-z_]\w*)+)(?:\([^`]*\))?`", FENCE.sub("", text)):
            assert name in NO_CODE or resolved(name), name


NO_CODE = {
    f"fathom.{name}"
    for name in (
        "json",
        "benchmarks",
        "chat_templates",
        "checkers",
        "dialects",
        "layouts",
        "published",
        "recipes",
        "reproductions",
        "verbs",
    )
}
"""A file, and groups of entry points."""


def names_in(program: ast.Module) -> set[str]:
    """The names of Fathom's that a program imports, or reads from `fathom`."""
    found = set()
    for node in ast.walk(program):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fathom":
            found |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names if each.name.startswith("fathom.")}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fathom":
            found.add(f"fathom.{node.attr}")
    return found


def resolved(name: str) -> bool:
    """Whether a dotted name is a module, or something in one. A field of a class counts, too."""
    try:
        pkgutil.resolve_name(name)
    except AttributeError:
        owner, _, field = name.rpartition(".")
        return field in getattr(pkgutil.resolve_name(owner), "__annotations__", {})
    return True


def test_what_the_readme_uses_is_exported_by_fathom_itself() -> None:
    programs = [each.text for each in blocks(README.read_text(encoding="utf-8")) if each.language == "python"]
    names = set().union(*(names_in(ast.parse(textwrap.dedent(program))) for program in programs))
    assert names
    assert {name.removeprefix("fathom.") for name in names} <= set(fathom.__all__)
    assert all(getattr(fathom, name) is not None for name in fathom.__all__)


def test_the_reference_is_that_of_the_public_names() -> None:
    written = runpy.run_path(str(ROOT / "docs" / "api.py"))["page"]()
    assert re.findall(r"^### (\w+)$", written, re.MULTILINE) != []
    assert {*re.findall(r"^### (\w+)$", written, re.MULTILINE), "__version__"} == set(fathom.__all__)
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == written, "write it again: python docs/api.py"


def test_every_message_in_a_heading_is_one_that_the_code_has() -> None:
    page = TROUBLESHOOTING.read_text(encoding="utf-8")
    titles = re.findall(r"^### (.+)$", page, re.MULTILINE)
    quoted = [text for title in titles for text in re.findall('"([^"]+)"', title)]
    assert len(quoted) > 5
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "fathom").rglob("*.py"))
    messages = re.sub(r'"\n *f?"', "", source)  # a text that continues on the next line
    for text in quoted:
        assert re.search(".*".join(map(re.escape, text.split("..."))), messages), text


# docs/layouts.md ------------------------------------------------------------------------------------------------------


def examples() -> Iterator[Any]:
    found = blocks(LAYOUTS.read_text(encoding="utf-8"))
    for rows, result in itertools.pairwise(found):
        if rows.language == "jsonl":
            yield pytest.param(rows, result, id=rows.text.split("\n")[0][:60])


@pytest.mark.parametrize(("rows", "result"), examples())
def test_every_example_of_a_layout_is_read_as_shown(rows: Block, result: Block) -> None:
    source = [json.loads(line) for line in rows.text.splitlines()]
    given = rows.before if re.search(r"(^Here|[Ww]ith) `--map", rows.before) else ""
    mapping = parse_mapping(re.findall(r"--map\s+([\w.]+=[\w.\[\]]+)", given))
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


# docs/eval.md ---------------------------------------------------------------------------------------------------------


def test_the_files_of_every_benchmark_are_named_with_their_place() -> None:
    table = EVAL.read_text(encoding="utf-8").split("| benchmark | where its files are |")[1].split("\n\n")[0]
    rows = {name: (place, files) for name, place, files in re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", table, re.M)}
    assert sorted(rows) == bench.names()
    for name, (place, files) in rows.items():
        benchmark = bench.find(name)
        assert re.findall(r"`([^`]+)`", files) == [part for each in benchmark.files for part in each.split("|")]
        assert re.findall(r"hub: `(.+)`", place) == ([benchmark.hub] if benchmark.hub else [])


# docs/judging.md ------------------------------------------------------------------------------------------------------


def with_outputs(page: str) -> str:
    """The page with what its commands and programs print. Files that it shows are written below the current folder."""
    pieces, end = [], 0
    ran: tuple[str, str] | None = None
    seen = 0
    for block in blocks(page):
        if "\n## " in page[seen : block.start]:
            ran = None  # what a section shows is printed by its own commands
        seen = block.start
        if block.language == "jsonl":
            path = Path(re.findall(r"`([\w./-]+)`", block.before)[-1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            ran = None
            server = SERVER.search(block.before)
            for command in commands(block):
                ran = asked(command, ANSWERS[server[1]]) if server else judged(command)
        elif block.language == "python":
            ran = printed(block.text), ""
        elif block.language in ("text", "json") and ran is not None:
            said = ran[0] if block.language == "text" else pretty(ran[1], json.loads(block.text)["id"])
            pieces += [page[end : block.start], f"{said}\n"]
            end = block.start + len(block.text)
    return "".join([*pieces, page[end:]])


def commands(block: Block) -> list[str]:
    """The commands of a block that can be run here, each on one line."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if SERVER.search(block.before) or RUNNABLE.search(line)]


def printed(program: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(program, "<page>", "exec"), {"__name__": "__main__"})
    return output.getvalue().strip("\n")


def asked(command: str, answer: Reply | None) -> tuple[str, str]:
    """As `judged`, with a server that always gives this answer, or none. Of what is printed: the error line and on."""

    async def run() -> tuple[str, str, str]:
        async with serving(lambda _: answer or Reply()) as server:
            if answer:
                return *await asyncio.to_thread(judged, command.replace(ADDRESS, server.url)), server.url
        return *await asyncio.to_thread(judged, command.replace(ADDRESS, server.url)), server.url  # nothing listens now

    said, rows, url = asyncio.run(run())
    port = re.findall(r"\d+", url)[-2]
    said = said.replace(url, ADDRESS).replace(f"127.0.0.1:{port}", "localhost:8000").replace(port, "8000")
    return said[max(said.find("fathom: "), 0) :], rows


def judged(command: str) -> tuple[str, str]:
    """What a command prints for people to read, and the rows that it writes."""
    from typer.testing import CliRunner

    from fathom.cli import app

    arguments = shlex.split(command, comments=True)[1:]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "110", "FORCE_COLOR": None})
    if isinstance(result.exception, FathomError):
        return f"fathom: {result.exception}", ""
    assert result.exception is None, result.exception
    shown = result.stderr if result.stdout.startswith("{") else result.output
    said = "\n".join(line.rstrip() for line in shown.strip("\n").split("\n"))
    out = Path(arguments[arguments.index("--out") + 1]) if "--out" in arguments else None
    rows = out.read_text() if out and out.suffix == ".jsonl" else result.stdout
    return said, rows


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


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.name)
def test_commands_and_programs_print_what_a_page_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    page = path.read_text(encoding="utf-8")
    assert any(commands(block) for block in blocks(page))
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
    assert keys(page.split("| rule | picks |")[1]) == set(RULES)


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
    for path in RUN:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            shutil.copytree(ROOT / "examples", Path(folder) / "examples")
            path.write_text(with_outputs(path.read_text(encoding="utf-8")), encoding="utf-8")
            sys.stderr.write(f"wrote {path}\n")
