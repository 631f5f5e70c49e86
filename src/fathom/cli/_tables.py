"""Prints records on standard output: as a table for people, or as JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer


def lines(records: Sequence[Mapping[str, Any]]) -> None:
    """Print each record as a line of JSON."""
    for record in records:
        typer.echo(json.dumps(record, ensure_ascii=False, default=str))


def records(records: Sequence[Mapping[str, Any]]) -> None:
    """Print one row per record; a single record is printed with one line per value. None is left blank."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if len(records) == 1:
        table = Table(box=box.SIMPLE, show_header=False)
        for name, value in records[0].items():
            table.add_row(name, _format(value))
    else:
        table = Table(*records[0], box=box.SIMPLE)
        for record in records:
            table.add_row(*map(_format, record.values()))
    Console(soft_wrap=False).print(table)


def _format(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_format(entry)}" for name, entry in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if type(value) is int else str(value)
