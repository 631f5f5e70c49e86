"""Folders on this machine, or at any address that fsspec knows, such as s3://bucket/run.

    folder = Folder.at("s3://bucket/run") / "parts"
    folder.write("part-000000.parquet", content)        # whole or not at all
    folder.names()                                      # ["part-000000.parquet"]

A file is written under a hidden temporary name and then renamed; names that start with a dot are not listed. On this
machine and on shared file systems the rename is atomic. On an object store fsspec renames by copying: this assumes that
the store shows an object only once all of it has arrived, and lists it from then on, as S3, GCS and Azure do.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fathom.data.atomic import atomic_write
from fathom.errors import FathomError, require


@dataclass(frozen=True)
class Folder:
    """A folder that need not exist yet. Methods raise OSError, or what the file system of `address` raises."""

    address: str
    """A path, or an address with a scheme."""

    @classmethod
    def at(cls, address: str | Path) -> Folder:
        """The folder of a path or an address. An address that was held as a Path has lost slashes, which are restored.

        `file:///path` is a folder on this machine, like the path itself.

        Raises FathomError for an address whose file system is not installed.
        """
        text = re.sub(r"^file:/+", "/", str(address))
        text = re.sub(r"^([a-z][a-z0-9+.-]+):/+", r"\1://", text).rstrip("/") or "/"
        folder = cls(text)
        if folder.is_remote:
            folder.file_system  # noqa: B018 - opened now, so that the error comes early
        return folder

    @property
    def is_remote(self) -> bool:
        return "://" in self.address

    @property
    def path(self) -> Path:
        """The folder as a path. Raises FathomError for a remote folder."""
        if self.is_remote:
            raise FathomError(f"{self.address} is not on this machine; expected a path")
        return Path(self.address)

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.address}/{name}")

    def __str__(self) -> str:
        return self.address

    def names(self) -> list[str]:
        """The names of its files and folders, sorted; empty if it does not exist."""
        if not self.is_remote:
            found = [each.name for each in self.path.iterdir()] if self.path.is_dir() else []
        else:
            system, root = self.file_system
            system.invalidate_cache(root)
            found = [_name(path) for path in system.ls(root, detail=False)] if system.exists(root) else []
        return sorted(name for name in found if not name.startswith("."))

    def read(self, name: str) -> bytes:
        if not self.is_remote:
            return (self.path / name).read_bytes()
        system, root = self.file_system
        return bytes(system.cat_file(f"{root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all. An existing file is replaced."""
        if not self.is_remote:
            with atomic_write(self.path / name) as file:
                file.write(content)
            return
        system, root = self.file_system
        temporary = f"{root}/.{name}.{uuid.uuid4().hex}.tmp"
        system.makedirs(root, exist_ok=True)
        system.pipe_file(temporary, content)
        system.mv(temporary, f"{root}/{name}")

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        if not self.is_remote:
            (self.path / name).unlink(missing_ok=True)
            return
        system, root = self.file_system
        if system.exists(f"{root}/{name}"):
            system.rm_file(f"{root}/{name}")

    @cached_property
    def file_system(self) -> tuple[Any, str]:
        """The file system of fsspec, and the folder's path in it; for remote folders."""
        fsspec = require("fsspec", "ray")
        try:
            system, root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise FathomError(f"cannot open {self.address}: {error}; expected a path or an address of fsspec") from None
        return system, str(root).rstrip("/")


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
