"""Recognizes files that Fathom wrote and nobody edited, by the hash in their record or in their last line."""

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
"""The entry of a folder in a record, in place of a hash."""


def maker(path: Path, record: Path) -> str | None:
    """The verb of Fathom that wrote the current content of `path`; None if Fathom did not write it.

    Fathom wrote a file if the record next to it (OUT.meta.json, or DIR/manifest.json) contains the file's current hash,
    or if it is a page that ends in its own hash (`marked`). An edited result therefore counts as the user's file. For a
    folder, the name in the record is enough.
    """
    if (verb := _mark(path)) is not None:
        return verb
    content = read_record(record)
    if content is None:
        return None
    is_unchanged = path == record or content["outputs"].get(name_in(path, record)) == digest(path)
    return str(content["verb"]) if is_unchanged else None


def marked(page: bytes, verb: str) -> bytes:
    """An HTML page with a last line added: the verb that made it, and the hash of all lines before."""
    page = page.rstrip() + b"\n"
    return page + f"<!-- made by fathom {verb}, sha256 {hashlib.sha256(page).hexdigest()} -->\n".encode()


def _mark(path: Path) -> str | None:
    """The verb in a page's last line; None without such a line, or if its hash does not match the lines before."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        mark = _MARK.search(file.read())
    if mark is None:
        return None
    page = path.read_bytes()[: -len(mark[0])]
    return mark[1].decode() if hashlib.sha256(page).hexdigest() == mark[2].decode() else None


_MARK = re.compile(rb"<!-- made by fathom ([a-z-]+), sha256 ([0-9a-f]{64}) -->\n\Z")


def recorded(record: Path) -> list[Path]:
    """The files that a record lists, whether or not they still exist."""
    content = read_record(record) or {}
    return [record.parent / name for name in content.get("outputs", ())]


def refuse_foreign(path: Path, outputs: Outputs) -> None:
    """Raise FathomError if Fathom did not write the current content of `path`."""
    if maker(path, outputs.record) is not None:
        return
    content = read_record(outputs.record)
    known = content is not None and name_in(path, outputs.record) in content["outputs"]
    evidence = "hash in its last line" if outputs.marked else f"entry in {outputs.record.name}"
    foreign = f"exists, and no {evidence} shows that Fathom wrote it"
    why = f"has changed since Fathom wrote it (see {outputs.record.name})" if known else foreign
    replaced = "" if path == outputs.target else f" {outputs.option} {outputs.target} would replace it;"
    raise FathomError(f"{path} {why};{replaced} {remedy(outputs, 'it')}")


def refuse_foreign_folder(outputs: Outputs) -> None:
    """Raise FathomError if the folder contains files and no record of Fathom."""
    names = [path.name for path in visible(outputs)]
    if names and maker(outputs.record, outputs.record) is None:
        raise FathomError(
            f"{outputs.option} {outputs.target} contains {', '.join(names[:3])}, and no {outputs.record.name} shows "
            f"that Fathom wrote it; {remedy(outputs, 'files in it')}"
        )


def changed(record: Mapping[str, Any], reads: Mapping[Path, str]) -> list[str]:
    """A message for each input whose content differs from its hash in the record."""
    hashes = record["inputs"]
    files = [path for path in reads if str(path) in hashes and path.is_file()]
    return [f"{path} has changed since" for path in files if digest(path) != hashes[str(path)]]


def visible(outputs: Outputs) -> list[Path]:
    """The contents of the output's folder, without the record and hidden files."""
    if not outputs.target.is_dir():
        return []
    return sorted(path for path in outputs.target.iterdir() if path != outputs.record and path.name[0] != ".")


def read_record(path: Path) -> dict[str, Any] | None:
    """The content of a record; None if the file is not a record of Fathom.

    `verb` is the verb that wrote the files, `outputs` and `inputs` are hashes by file, `settings` are those known
    at the start of the run, and `settled` those that became known later.
    """
    content = read_object(path)
    if not isinstance(content.get("verb"), str):
        return None
    parts = {name: content.get(name, {}) for name in ("settings", "settled", "outputs", "inputs")}
    return content | parts if all(isinstance(part, dict) for part in parts.values()) else None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one. Devices are not read, because reading them may never end."""
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


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
    """A value that changes when the file is replaced: inode, modification time and size; None without a file."""
    with suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size
    return None
