"""Rows inside a page: as compressed text in parts, so that a page of many rows unpacks only what is looked at.

    parts = list(packed(rows))
    [row for part in parts for row in unpacked(part.text)] == list(rows)

A part's text is base 64 of gzip of JSON, a row a line: no character of it can end the element it stands in. Equal rows
make equal parts. Numbers that JSON lacks (not a number, infinities) become text.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pydantic_core import to_json

PART_BYTES = 1 << 18
"""Of JSON in a part, about: small enough to unpack and read within one frame of a screen."""


class Part(NamedTuple):
    text: str
    rows: int


def packed(rows: Iterable[Any], *, part_bytes: int = PART_BYTES) -> Iterator[Part]:
    """The rows in parts, each of one row or more, in their order."""
    lines: list[bytes] = []
    size = 0
    for row in rows:
        lines.append(to_json(row, inf_nan_mode="strings"))
        size += len(lines[-1])
        if size >= part_bytes:
            yield _part(lines)
            lines, size = [], 0
    if lines:
        yield _part(lines)


def unpacked(text: str) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(base64.b64decode(text)).split(b"\n")]


def _part(lines: list[bytes]) -> Part:
    return Part(base64.b64encode(gzip.compress(b"\n".join(lines), compresslevel=6, mtime=0)).decode(), len(lines))
