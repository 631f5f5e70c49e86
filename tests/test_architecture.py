"""Imports follow the table of packages in docs/architecture.md; heavy libraries are imported only where allowed."""

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
    "sandbox": {"errors"},
    "engines": {"errors", "plugins", "settings"},
    "prompts": {"engines.control"},
    "judges": {"errors", "plugins", "settings", "data.records", "data.steps", "rationale", "engines", "prompts"},
    "rewards": {
        "errors",
        "sandbox",
        "settings",
        "data.records",
        "data.steps",
        "rationale",
        "engines",
        "prompts",
        "judges",
        "process.conventions",
        "process.tables",
        "process.tools",
    },
}
"""What packages and modules may import if they must stay independent of most others."""
HEAVY = {
    "torch": {"engines", "train", "lab"},
    "transformers": {"engines", "train", "lab"},
    "tokenizers": {"engines", "lab"},
    "safetensors": {"engines", "train", "lab"},
    "trl": {"train"},
    "peft": {"train"},
    "accelerate": {"train"},
    "datasets": {"train", "data"},
    "matplotlib": {"report"},
    "scipy": {"metrics", "report", "train"},
    "pyarrow": {"data", "results", "scale"},
    "ray": {"scale"},
    "z3": {"labelers"},
    "fsspec": {"data"},
    "aiohttp": {"engines", "serve"},
    "fastapi": {"serve"},
    "starlette": {"serve"},
    "uvicorn": {"serve"},
    "prometheus_client": {"serve"},
}
"""Libraries that the values, the judges and `fathom --help` do not need, and the packages that may import them."""
AT_THE_TOP = {
    "engines.bnrm": {"torch"},
    "engines.gaussian": {"torch"},
    "engines.decoding": {"torch", "transformers"},
    "engines.endpoint": {"aiohttp"},
    "engines.forward": {"torch", "transformers"},
    "engines.guiding": {"torch", "transformers"},
    "engines.headed": {"torch", "transformers", "safetensors"},
    "engines.local_readings": {"torch"},
    "engines.step_model": {"torch"},
    "engines.step_states": {"torch", "transformers"},
    "engines.openai": {"aiohttp"},
    "engines.reading_server": {"aiohttp"},
    "lab.chain_models": {"torch"},
    "lab.cloze": {"torch"},
    "lab.facts": {"torch"},
    "lab.frozen": {"torch", "safetensors"},
    "lab.grammar": {"torch"},
    "lab.pair_heads": {"torch"},
    "lab.pretrain": {"torch"},
    "lab.shortcut": {"torch"},
    "lab.step_readings": {"torch", "safetensors"},
    "lab.synthetic_claims": {"torch"},
    "serve.admission": {"starlette"},
    "serve.app": {"fastapi", "starlette"},
    "serve.client": {"aiohttp"},
    "serve.core": {"fastapi"},
    "serve.dialects._conversations": {"fastapi"},
    "serve.dialects.classify": {"fastapi"},
    "serve.dialects.nemo_gym": {"fastapi"},
    "serve.dialects.openai_chat": {"fastapi"},
    "serve.dialects.openrlhf": {"fastapi"},
    "serve.dialects.sglang": {"fastapi"},
    "serve.dialects.slime": {"fastapi"},
    "serve.dialects.vllm": {"fastapi"},
    "serve.errors": {"fastapi", "starlette"},
    "serve.metrics": {"prometheus_client"},
    "serve.native": {"fastapi"},
    "serve.running": {"uvicorn", "starlette"},
    "adapters.verl": {"aiohttp"},
    "adapters.verl_steps": {"aiohttp"},
    "train": {"torch", "trl"},
    "train.rationality": {"scipy"},
}
"""Modules and packages that are useless without these libraries."""


class Import(NamedTuple):
    module: str
    """The importing module, without `fathom.`."""
    target: str
    at_the_top: bool

    @property
    def package(self) -> str:
        return self.module.split(".")[0]

    @property
    def into(self) -> str | None:
        """The imported package of `fathom`; None for other libraries and for `fathom` itself."""
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
    """The layer of each package."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("## Packages")[1].split("\n\nSome packages")[0]
    return {package: int(layer) for layer, package in re.findall(r"^\| (\d+) \| `(\w+)` \|", table, re.MULTILINE)}


def test_the_page_names_every_package_and_no_other() -> None:
    there = {path.stem for path in SOURCE.glob("[!_]*.py")} | {
        path.parent.name for path in SOURCE.glob("*/__init__.py")
    }
    assert sorted(layers_of_the_page()) == sorted(there)


def test_imports_go_to_packages_of_higher_layers() -> None:
    layers = layers_of_the_page()
    upwards = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if each.package in layers and each.into in layers and each.into != each.package
        if layers[each.into] >= layers[each.package]
    ]
    assert upwards == []


def test_no_room_imports_a_private_module_of_another() -> None:
    private = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if each.into not in (None, each.package) and any(part.startswith("_") for part in each.target.split(".")[2:])
    ]
    assert private == []


@pytest.mark.parametrize("module", NOTHING_ELSE)
def test_a_room_that_may_know_little_knows_no_more(module: str) -> None:
    known = {
        each.target.removeprefix("fathom.")
        for each in imports()
        if is_within(each.module, module) and each.into not in (None, each.package)
    }
    stray = {target for target in known if not any(is_within(target, allowed) for allowed in NOTHING_ELSE[module])}
    assert stray == set()


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_nothing_imports_the_command_line() -> None:
    assert {each.package for each in imports() if each.into == "cli"} <= {"cli", "__main__"}


def test_heavy_libraries_are_imported_only_where_they_are_used() -> None:
    stray = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if (library := each.target.split(".")[0]) in HEAVY and each.package not in HEAVY[library]
    ]
    assert stray == []


def test_heavy_libraries_are_imported_inside_functions() -> None:
    stray = [
        f"{each.module} imports {each.target}"
        for each in imports()
        if each.at_the_top and (library := each.target.split(".")[0]) in HEAVY
        if library not in AT_THE_TOP.get(each.module, AT_THE_TOP.get(each.package, set()))
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
