"""Compares the settings of two runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A message per setting that differs between two runs; empty if the second run gives the results of the first.

    A missing setting equals an empty one. A larger `limit` is not a difference, because the results then include all
    earlier ones. Standard input differs from everything, also from itself, because its content is unknown.
    """
    names = sorted({*before, *now})
    return [
        f"{_flag(name)} was {_format(before.get(name))} and is {_format(now.get(name))}"
        for name in names
        if not _alike(name, before.get(name), now.get(name))
    ]


def _alike(name: str, before: Any, now: Any) -> bool:
    if name == "limit":
        return now is None or (before is not None and now >= before)
    if name == "file" and "-" in (before, now):
        return False
    if not before and not now:
        return True
    paths = isinstance(before, str) and isinstance(now, str) and os.path.realpath(before) == os.path.realpath(now)
    return bool(before == now) or paths


def _flag(name: str) -> str:
    return name.upper() if name in {"file", "run", "path", "names"} else f"--{name.replace('_', '-')}"


def _format(value: Any) -> str:
    if value is None or value == []:
        return "not given"
    return "standard input" if value == "-" else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as JSON types, as a record has them."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(settings), default=str))
    return plain
