"""Prompts: one Jinja template a file. Text that others wrote goes in through the `fenced` filter, and nothing else.

    {{ response | fenced }}

A fence is longer than any run of backticks in the text it holds, so no text can close it and pose as the prompt.
Control tokens of chat templates inside it are broken by a space (`fathom.engines.control`), so no text can end the
turn either.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from fathom.engines.control import broken


def fenced(text: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0) if "`" in text else 0
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{broken(text)}\n{fence}"


def render(template: str | Path, **values: Any) -> str:
    """The text of `template` (a path under `prompts/`, without `.jinja`). A missing value is an error, never blank.

    A `Path` is a template of the user's, which may leave out the fences, to repeat a published prompt to the letter.
    Control tokens are broken all the same. Raises OSError and jinja2's TemplateError for what cannot be read or filled.
    """
    if isinstance(template, Path):
        return (
            _of_user(template.read_text(encoding="utf-8"))
            .render({name: _broken(value) for name, value in values.items()})
            .strip()
        )
    return _template(template).render(values).strip()


def _broken(value: Any) -> Any:
    if isinstance(value, str):
        return broken(value)
    return tuple(map(broken, value)) if isinstance(value, tuple) else value


@cache
def _of_user(text: str) -> Template:
    # In a sandbox, because settings may come with a checkpoint that somebody else made.
    environment = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["fenced"] = fenced
    return environment.from_string(text)


@cache
def _template(name: str) -> Template:
    return _environment().get_template(f"{name}.jinja")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fathom", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        auto_reload=False,
    )
    environment.filters["fenced"] = fenced
    return environment
