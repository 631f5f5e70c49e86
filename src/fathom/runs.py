"""Runs: files of results, and what stands beside them.

    run = runs.open("verdicts.jsonl")
    run.meta["config"]["temperature"], run.meta["summary"]
    for row in run.rows(): ...

A run is a file of results, NAME.jsonl, as `fathom judge`, `rank` and `eval` write it. NAME.jsonl.meta.json says what
made it, NAME.jsonl.journal holds its completions. Any of the two may be missing: rows can be read without them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fathom.errors import FathomError


@dataclass(frozen=True)
class Run:
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def journal(self) -> Path:
        """Where its completions are, unless --journal named another file."""
        return self.path.with_name(f"{self.path.name}.journal")

    @cached_property
    def meta(self) -> dict[str, Any]:
        """The provenance: `config`, `versions`, `inputs`, `summary`, ...; empty where none was written."""
        path = self.path.with_name(f"{self.path.name}.meta.json")
        if not path.is_file():
            return {}
        meta: dict[str, Any] = _object(path.read_text(), str(path))
        return meta

    def rows(self) -> Iterator[dict[str, Any]]:
        """Raises FathomError for a line that is no row of results."""
        with self.path.open() as lines:
            for number, line in enumerate(lines, 1):
                row = _object(line, f"{self.path}:{number}")
                if not {"id", "metadata"} <= row.keys():
                    raise FathomError(f"{self.path}:{number}: no row of results; allowed is what fathom judge writes")
                yield row


def open(path: str | Path) -> Run:
    """The run of that file. Raises FathomError where there is no such file."""
    run = Run(Path(path))
    if not run.path.is_file():
        raise FathomError(f"{path}: no such run; give a file of results, as fathom judge --out writes it")
    return run


def find(folder: str | Path) -> list[Run]:
    """The runs below a folder, by path: every file of results that has its provenance beside it."""
    suffix = ".meta.json"
    described = sorted(Path(folder).rglob(f"*.jsonl{suffix}"))
    results = (path.with_name(path.name.removesuffix(suffix)) for path in described)
    return [Run(path) for path in results if path.is_file()]


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise FathomError(f"{where}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FathomError(f"{where}: got {type(value).__name__}, allowed is a JSON object")
    return value
