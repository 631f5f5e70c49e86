"""Provenance of a result: the settings, versions and inputs that reproduce it.

    write_json(out / "votes.meta.json", provenance(recipe, inputs=[Path("pairs.jsonl")]))

Only the key `written` (the time) differs between equal runs on one machine. Provenance is a separate file, so that
equal results are equal byte for byte. `config` is written unchanged, so it must not contain API keys.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from fathom.data.atomic import atomic_write
from fathom.errors import FathomError

LIBRARIES = (
    "fathom-rm",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "vllm",
    "ray",
    "numpy",
    "pyarrow",
)
"""The libraries whose versions are recorded if they are installed. They are not imported."""


def provenance(config: Mapping[str, Any], inputs: Iterable[Path]) -> dict[str, Any]:
    """The configuration, versions, platform and the SHA-256 of every input file, including all files of input folders.

    Raises FathomError for a missing input.
    """
    return {
        "config": dict(config),
        "versions": {"python": platform.python_version(), **_installed()},
        "platform": {"system": platform.platform(), "machine": platform.machine()},
        "inputs": {str(file): _sha256(file) for path in inputs for file in _files(path)},
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def input_hashes(inputs: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of every input file by its name, which has no folder of this machine. Raises FathomError
    for a missing input."""
    return {file.name: _sha256(file) for path in inputs for file in _files(path)}


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    with atomic_write(path) as file:
        file.write(as_json(value))


def as_json(value: Any) -> bytes:
    """Indented JSON. Values without a JSON form, such as paths and dates, become strings."""
    return f"{json.dumps(value, indent=2, ensure_ascii=False, default=str)}\n".encode()


def _installed() -> dict[str, str]:
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if not path.is_file():
        raise FathomError(f"{path}: no such file; inputs must exist, because provenance records their hashes")
    return [path]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
