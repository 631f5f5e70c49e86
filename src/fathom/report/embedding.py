"""Embed rows in a page as compressed parts, so that a page with many rows unpacks only the rows that are shown.

    parts = list(packed(rows))
    [row for part in parts for row in unpacked(part.text)] == list(rows)

A part is base64 of gzip of JSON lines, so no character of it can end the HTML element that contains it. Equal rows give
equal parts. NaN and infinities, which JSON lacks, become strings.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pydantic_core import to_json

PART_BYTES = 1 << 18
"""The approximate size of a part's JSON. It can be unpacked and parsed within one frame of the screen."""


class Part(NamedTuple):
    """A compressed part and its number of rows."""

    text: str
    rows: int


def packed(rows: Iterable[Any], *, part_bytes: int = PART_BYTES) -> Iterator[Part]:
    """Pack rows, in their order, into parts of at least one row."""
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
    """The rows of a part: the inverse of `packed`."""
    return [json.loads(line) for line in gzip.decompress(base64.b64decode(text)).split(b"\n")]


def _part(lines: list[bytes]) -> Part:
    return Part(base64.b64encode(gzip.compress(b"\n".join(lines), compresslevel=6, mtime=0)).decode(), len(lines))
