"""Prompts: one Jinja template a file. Text that others wrote goes in through the `fenced` filter, and nothing else.

    {{ response | fenced }}

A fence is longer than any run of backticks in the text it holds, so no text can close it and pose as the prompt.
Control tokens of chat templates inside it are broken by a space (`fathom.control`), so no text can end the turn either.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from fathom.control import broken


def fenced(text: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0) if "`" in text else 0
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{broken(text)}\n{fence}"


def render(template: str, **values: Any) -> str:
    """The text of `template` (a path under `prompts/`, without `.jinja`). A missing value is an error, never blank."""
    return _template(template).render(values).strip()


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
