"""Writes docs/api.md, the reference of the public names, from their signatures and docstrings.

    python docs/api.py

Sources are read and nothing is imported but the list of names, so optional libraries need not be there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from pathlib import Path

import fathom

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
HEAD = """\
# Python reference

The public names of `fathom`, with their signatures and docstrings. `python docs/api.py` writes this page. For programs
that run, see [examples](../examples). Some packages, each for one task, have public names of their own:
`fathom.adapters`, `fathom.bench`, `fathom.metrics`, `fathom.probes`, `fathom.report`, `fathom.results.runs`,
`fathom.sandbox`, `fathom.synth`, `fathom.train`.
"""
SECTIONS = {
    "Comparisons": ("data", "errors"),
    "Judges, votes and verdicts": ("judges", "rewards", "prompts"),
    "Rationales": ("rationale",),
    "More votes, rankings and preferences": ("voting", "ranking"),
    "Engines": ("engines",),
    "Whole runs": ("settings", "judging", "results", "metrics"),
    "Reward clients": ("serve",),
}
"""The modules of each section, in order; names keep the order in which `fathom` lists them."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def page() -> str:
    return "\n".join([HEAD, *(part for title, rooms in SECTIONS.items() for part in _section(title, rooms))])


def _section(title: str, rooms: tuple[str, ...]) -> Iterator[str]:
    yield f"## {title}\n"
    for room in rooms:
        for name, home in fathom._HOME.items():
            if home.split(".")[1] == room:
                yield _entry(name, home)


def _entry(name: str, home: str) -> str:
    node, doc = _found(name, home)
    if isinstance(node, ast.ClassDef):
        parts = [f"### {name}", _call(name, node), doc, _fields(node), _methods(node)]
    elif isinstance(node, Definition):
        parts = [f"### {name}", _code(_signature(node)), doc]
    else:
        parts = [f"### {name}", _code(ast.unparse(node)), doc]
    return "\n\n".join(part for part in parts if part) + "\n"


def _found(name: str, home: str) -> tuple[ast.stmt, str]:
    """The statement that binds `name` in the module `home`, and its docstring."""
    body = _module(home).body
    for index, node in enumerate(body):
        if isinstance(node, Definition) and node.name == name and not _is_overload(node):
            return node, cleandoc(ast.get_docstring(node) or "")
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node, _text(body[index + 1 : index + 2])
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return _found(name, node.module)
    raise LookupError(f"{home} defines no {name}")


def _is_overload(node: Definition) -> bool:
    return any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)


@cache
def _module(home: str) -> ast.Module:
    path = ROOT / "src" / Path(*home.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _text(statements: list[ast.stmt]) -> str:
    """The docstring that stands alone as the first of the statements, if there is one."""
    first = statements[0] if statements else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return cleandoc(first.value.value)
    return ""


def _code(text: str) -> str:
    return f"```py\n{text}\n```".replace("'", '"')


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str = "", *, method: bool = False) -> str:
    arguments = node.args
    if method and arguments.args:
        arguments = ast.arguments(**{**vars(arguments), "args": arguments.args[1:]})
    parameters = _split(ast.unparse(arguments))
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and not name else ""
    words = "await " if isinstance(node, ast.AsyncFunctionDef) and not _is_generator(node) else ""
    whole = f"{words}{name or node.name}({', '.join(parameters)}){returns}"
    if len(whole) <= 100:
        return whole
    lines = "".join(f"    {parameter},\n" for parameter in parameters)
    return f"{words}{name or node.name}(\n{lines}){returns}"


def _split(parameters: str) -> list[str]:
    """The parameters one by one, with spaces around `=`: commas inside brackets separate nothing."""
    parts, depth = [""], 0
    for letter in parameters:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += " = " if letter == "=" and depth == 0 else letter
    return [part.strip() for part in parts if part]


def _is_generator(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(node))


def _call(name: str, node: ast.ClassDef) -> str:
    """How an instance is made, where the class says so itself; fields and base classes say it otherwise."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return _code(_signature(each, name, method=True))
    bases = ", ".join(map(ast.unparse, node.bases))
    return _code(f"class {name}({bases})" if bases else f"class {name}")


def _fields(node: ast.ClassDef) -> str:
    lines = []
    for index, each in enumerate(node.body):
        if isinstance(each, ast.AnnAssign) and not _is_private(ast.unparse(each.target)):
            text = " ".join(_text(node.body[index + 1 : index + 2]).split())
            lines.append(f"- `{_one_line(each)}`" + (f": {text}" if text else ""))
    return "\n".join(lines)


def _one_line(field: ast.AnnAssign) -> str:
    value = f" = {ast.unparse(field.value)}" if field.value else ""
    return f"{ast.unparse(field.target)}: {ast.unparse(field.annotation)}{value}"


def _methods(node: ast.ClassDef) -> str:
    lines = []
    for each in node.body:
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) or _is_private(each.name):
            continue
        text = " ".join((ast.get_docstring(each) or "").split("\n\n")[0].split())
        if text:
            lines.append(f"- `{_short(each)}`: {text}")
    return "\n".join(lines)


def _short(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    kinds = {ast.unparse(each) for each in node.decorator_list}
    if kinds & {"property", "cached_property"}:
        return f".{node.name}: {ast.unparse(node.returns)}" if node.returns else f".{node.name}"
    return " ".join(f".{_signature(node, method='staticmethod' not in kinds)}".replace(".await ", "await .").split())


def _is_private(name: str) -> bool:
    return name.startswith("_") and name != "__call__"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
