"""Prompt templates: one Jinja template per file. Untrusted text must go through the `fenced` filter.

    {{ response | fenced }}

The fence is longer than any run of backticks in the text, so the text cannot close it and pose as part of the prompt.
Control tokens of chat templates in the text are broken by a space (`fathom.engines.control`), so the text cannot end
the turn either.

Templates named `*trained*` are the training prompts of models. Changing one changes the task of every model trained
on it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from fathom.engines.control import defuse


def fenced(text: str) -> str:
    """The text in a code fence that it cannot close, with control tokens of chat templates broken."""
    longest = max(map(len, re.findall("`+", text)), default=0) if "`" in text else 0
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{defuse(text)}\n{fence}"


def render(template: str | Path, **values: Any) -> str:
    """Fill in `template`: the name of a template under `prompts/`, without `.jinja`, or the path of a user's template.

    A user's template may omit the fences, to reproduce a published prompt verbatim, so control tokens are broken in all
    of its values. Raises OSError for a file that cannot be read, and jinja2's TemplateError for a syntax error or a
    missing value.
    """
    if isinstance(template, Path):
        safe = {name: _defused(value) for name, value in values.items()}
        return _user_template(template.read_text(encoding="utf-8")).render(safe).strip()
    return _template(template).render(values).strip()


def _defused(value: Any) -> Any:
    if isinstance(value, str):
        return defuse(value)
    return tuple(map(_defused, value)) if isinstance(value, tuple) else value


@cache
def _user_template(text: str) -> Template:
    # Sandboxed, because a checkpoint's fathom.json can name a template, and checkpoints come from anyone.
    environment = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["fenced"] = fenced
    return environment.from_string(text)


@cache
def _template(name: str) -> Template:
    template = _environment().get_template(f"{name}.jinja")
    # Each rendering copies the globals, and copying Jinja's chain of dictionaries takes most of its time.
    template.globals = dict(template.globals)
    return template


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
