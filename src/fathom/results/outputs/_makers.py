"""Which files Fathom made: those that a record beside them, or a mark in them, names with the hash that they have."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fathom.errors import FathomError
from fathom.results.outputs._plan import Outputs, remedy

FOLDER = "folder"
"""What a record says of a folder in place of a hash."""


def maker(path: Path, record: Path) -> str | None:
    """The verb of Fathom that wrote `path` as it is now; None where none did, or where it was changed since.

    A file is Fathom's own where the record beside it (OUT.meta.json, or DIR/manifest.json) names it with the hash that
    it has, or where it is a page that ends in such a hash (`marked`). So a file that was edited, or put in the place of
    a result, is its maker's. Of a folder the name is enough.
    """
    if (verb := _mark(path)) is not None:
        return verb
    told = read_record(record)
    if told is None:
        return None
    made = path == record or told["outputs"].get(name_in(path, record)) == digest(path)
    return str(told["verb"]) if made else None


def marked(page: bytes, verb: str) -> bytes:
    """An HTML page with a last line that names the verb that made it and its hash: pages are passed on alone."""
    page = page.rstrip() + b"\n"
    return page + f"<!-- made by fathom {verb}, sha256 {hashlib.sha256(page).hexdigest()} -->\n".encode()


def _mark(path: Path) -> str | None:
    """The verb that a page's last line names, where the hash beside it is that of all that stands before."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        found = _MARK.search(file.read())
    if found is None:
        return None
    page = path.read_bytes()[: -len(found[0])]
    return found[1].decode() if hashlib.sha256(page).hexdigest() == found[2].decode() else None


_MARK = re.compile(rb"<!-- made by fathom ([a-z-]+), sha256 ([0-9a-f]{64}) -->\n\Z")


def recorded(record: Path) -> list[Path]:
    """The files that a record names, whether or not they are still there."""
    told = read_record(record) or {}
    return [record.parent / name for name in told.get("outputs", ())]


def refuse_foreign(path: Path, outputs: Outputs) -> None:
    if maker(path, outputs.record) is not None:
        return
    told = read_record(outputs.record)
    known = told is not None and name_in(path, outputs.record) in told["outputs"]
    said_by = "last line" if outputs.marked else outputs.record.name
    foreign = f"exists, and no {said_by} says that Fathom made it as it is"
    why = f"has changed since Fathom wrote it, as {outputs.record.name} says" if known else foreign
    brought = "" if path == outputs.target else f" {outputs.option} {outputs.target} would replace it;"
    raise FathomError(f"{path} {why};{brought} {remedy(outputs, 'it')}")


def refuse_foreign_folder(outputs: Outputs) -> None:
    holds = [path.name for path in visible(outputs)]
    if holds and maker(outputs.record, outputs.record) is None:
        raise FathomError(
            f"{outputs.option} {outputs.target} holds {', '.join(holds[:3])}, and no {outputs.record.name} says that "
            f"Fathom made it; {remedy(outputs, 'files in it')}"
        )


def changed(told: Mapping[str, Any], reads: Mapping[Path, str]) -> list[str]:
    """Which of the files that are read have another content than the record names."""
    hashes = told["inputs"]
    files = [path for path in reads if str(path) in hashes and path.is_file()]
    return [f"{path} has changed since" for path in files if digest(path) != hashes[str(path)]]


def visible(outputs: Outputs) -> list[Path]:
    """What the output's folder holds beside the record and hidden files."""
    if not outputs.target.is_dir():
        return []
    return sorted(path for path in outputs.target.iterdir() if path != outputs.record and path.name[0] != ".")


def read_record(path: Path) -> dict[str, Any] | None:
    """What a record says; None for a file that is no record of Fathom's.

    `verb` wrote the files that `outputs` names with their hashes, with these `settings`, and those `settled` later.
    """
    told = read_object(path)
    if not isinstance(told.get("verb"), str):
        return None
    parts = {name: told.get(name, {}) for name in ("settings", "settled", "outputs", "inputs")}
    return told | parts if all(isinstance(part, dict) for part in parts.values()) else None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none. A device may have no end, so it is not read."""
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def holds_something(path: Path) -> bool:
    if path.is_dir():
        return any(path.iterdir())
    return path.is_file() and path.stat().st_size > 0


def name_in(path: Path, record: Path) -> str:
    return Path(os.path.relpath(path, record.parent)).as_posix()


def digest(path: Path) -> str:
    if path.is_dir():
        return FOLDER
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state(path: Path) -> object:
    """Changes whenever the file is replaced."""
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None
