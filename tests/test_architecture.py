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

NOTHING_ELSE = {
    "rationale": set(),
    "data.records": {"errors"},
    "engines": {"errors", "plugins", "settings"},
    "prompts": {"engines.control"},
    "judges": {"errors", "plugins", "settings", "data.records", "rationale", "engines", "prompts"},
}
"""What rooms and modules may import that must stay independent of most others."""
HEAVY = {
    "torch": {"engines", "train", "lab"},
    "transformers": {"engines", "train", "lab"},
    "tokenizers": {"lab"},
    "safetensors": {"engines", "train", "lab"},
    "trl": {"train"},
    "peft": {"train"},
    "accelerate": {"train"},
    "datasets": {"train", "data"},
    "matplotlib": {"report"},
    "scipy": {"metrics", "report"},
    "pyarrow": {"data", "results"},
    "aiohttp": {"engines"},
}
"""Libraries that the values, the judges and `fathom --help` do without, and the rooms that may import them."""
AT_THE_TOP = {
    "engines.decoding": {"torch", "transformers"},
    "engines.endpoint": {"aiohttp"},
    "engines.openai": {"aiohttp"},
    "lab.pretrain": {"torch"},
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


def layers_of_the_page() -> dict[str, int]:
    """The layer of each room."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("## Rooms")[1].split("\n\nSome rooms")[0]
    return {room: int(layer) for layer, room in re.findall(r"^\| (\d+) \| `(\w+)` \|", table, re.MULTILINE)}


def test_the_page_names_every_room_and_no_other() -> None:
    there = {path.stem for path in SOURCE.glob("[!_]*.py")} | {
        path.parent.name for path in SOURCE.glob("*/__init__.py")
    }
    assert sorted(layers_of_the_page()) == sorted(there)


def test_imports_go_to_rooms_of_higher_layers() -> None:
    layers = layers_of_the_page()
    upwards = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if each.room in layers and each.into in layers and each.into != each.room
        if layers[each.into] >= layers[each.room]
    ]
    assert upwards == []


def test_no_room_imports_a_private_module_of_another() -> None:
    private = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if each.into not in (None, each.room) and any(part.startswith("_") for part in each.target.split(".")[2:])
    ]
    assert private == []


@pytest.mark.parametrize("module", NOTHING_ELSE)
def test_a_room_that_may_know_little_knows_no_more(module: str) -> None:
    known = {
        each.target.removeprefix("fathom.")
        for each in imports()
        if is_within(each.module, module) and each.into not in (None, each.room)
    }
    stray = {target for target in known if not any(is_within(target, allowed) for allowed in NOTHING_ELSE[module])}
    assert stray == set()


def is_within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


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
    heavy = {"train", "lab", *AT_THE_TOP, "__main__", ""}
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
