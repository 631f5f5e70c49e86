"""Which room imports which, held against the table in docs/architecture.md; where heavy libraries may be imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "fathom"

VALUES = {"transcript", "rationale", "verdict", "records", "rewards"}
NOTHING_ELSE = {
    **dict.fromkeys(VALUES, VALUES),
    "engines": {"errors", "checkpoints", "control", "verdict", "settings"},
    "judges": {"errors", "transcript", "rationale", "verdict", "records", "rewards", "engines", "prompts", "plugins"},
    "prompts": {"control"},
}
HEAVY = {
    "torch": {"engines", "train", "mini"},
    "transformers": {"engines", "train", "mini"},
    "tokenizers": {"mini"},
    "safetensors": {"engines", "train", "mini"},
    "trl": {"train"},
    "peft": {"train"},
    "accelerate": {"train"},
    "datasets": {"train", "sources"},
    "matplotlib": {"report"},
    "scipy": {"metrics", "report"},
    "pyarrow": {"sources", "exporting"},
    "aiohttp": {"engines"},
}
"""Libraries that the values, the judges and `fathom --help` do without, and the rooms that may import them."""
AT_THE_TOP = {
    "engines.decoding": {"torch", "transformers"},
    "engines.endpoint": {"aiohttp"},
    "engines.openai": {"aiohttp"},
    "mini.pretrain": {"torch"},
    "train": {"torch", "trl"},
}
"""Modules, or rooms, that do nothing without them."""


class Import(NamedTuple):
    module: str
    """The importing module, without `fathom.`."""
    target: str
    at_the_top: bool

    @property
    def room(self) -> str:
        return self.module.split(".")[0]

    @property
    def into(self) -> str | None:
        """The room it goes to; None for other packages and for `fathom` itself."""
        package, _, rest = self.target.partition(".")
        return (rest.split(".")[0] or None) if package == "fathom" else None


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports() -> list[Import]:
    found = []
    for module, tree in modules():
        inside = {
            node for function in ast.walk(tree) if isinstance(function, _FUNCTIONS) for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            found += [Import(module, target, node not in inside) for target in targets(node)]
    return found


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def targets(node: ast.AST) -> list[str]:
    """What a statement imports; `require("torch", "local")` is an import as well."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module="fathom", names=names):
            return [f"fathom.{alias.name}" for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case ast.ImportFrom():
            raise AssertionError("imports name their module in full")
        case ast.Call(func=ast.Name(id="require"), args=[ast.Constant(value=str(library)), *_]):
            return [library]
    return []


def rooms_of_the_page() -> list[str]:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("## Rooms")[1].split("\n\nSome rooms")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_the_page_names_every_room_and_no_other() -> None:
    there = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert sorted(rooms_of_the_page()) == sorted(there - {"__init__", "__main__"})


def test_imports_go_to_rooms_that_stand_above_in_the_table() -> None:
    rooms = rooms_of_the_page()
    upwards = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if each.room in rooms and each.into in rooms and rooms.index(each.into) > rooms.index(each.room)
    ]
    assert upwards == []


@pytest.mark.parametrize("room", NOTHING_ELSE)
def test_a_room_that_may_know_little_knows_no_more(room: str) -> None:
    rooms = rooms_of_the_page()
    known = {each.into for each in imports() if each.room == room and each.into in rooms}
    assert known <= NOTHING_ELSE[room] | {room}


def test_nothing_imports_the_command_line() -> None:
    assert {each.room for each in imports() if each.into == "cli"} <= {"cli", "__main__"}


def test_heavy_libraries_are_imported_only_where_they_are_used() -> None:
    stray = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if (library := each.target.split(".")[0]) in HEAVY and each.room not in HEAVY[library]
    ]
    assert stray == []


def test_heavy_libraries_are_imported_inside_functions() -> None:
    stray = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if each.at_the_top and (library := each.target.split(".")[0]) in HEAVY
        if library not in AT_THE_TOP.get(each.module, AT_THE_TOP.get(each.room, set()))
    ]
    assert stray == []


def test_what_the_command_line_and_the_judges_are_made_of_loads_no_heavy_library() -> None:
    heavy = {"train", "mini", *AT_THE_TOP, "__main__", ""}
    light = [f"fathom.{name}" for name, _ in modules() if not {name, name.split(".")[0]} & heavy]
    code = f"""
import importlib, sys
for name in {light!r}:
    importlib.import_module(name)
    loaded = sorted({set(HEAVY)!r} & set(sys.modules))
    assert not loaded, f"{{name}} loads {{loaded}}"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
