"""The files that a verb is about to write, and phrases of its error messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outputs:
    """The files that a verb is about to write, and the option that names them."""

    option: str
    """The option as the user writes it: `--out`, `--json`, `output=`."""
    target: Path
    """The file or folder that the user named."""
    files: tuple[Path, ...]
    """Every file (or folder of files) that is replaced. All are in the folder of the record."""
    record: Path
    """The JSON file with their provenance: OUT.meta.json next to a file, DIR/manifest.json in a folder."""
    appended: tuple[Path, ...] = ()
    """Files that are extended rather than replaced: journals."""
    space: int = 0
    """Minimum size of the results in bytes; 0 if unknown."""
    is_folder: bool = False
    """Whether `target` is the folder of the files."""
    whole: bool = False
    """Whether the verb may write any file in that folder; `files` are then those that it contains already."""
    marked: bool = False
    """Whether the files carry their own hash, as pages do (see `marked`), instead of having a record."""

    @property
    def every(self) -> tuple[Path, ...]:
        """All files that may be written, including the record and journals."""
        return tuple(dict.fromkeys((*self.files, *(() if self.marked else (self.record,)), *self.appended)))


def beside(path: Path, suffix: str) -> Path:
    """The path of a companion file: `beside(Path("v.jsonl"), "meta.json")` is v.jsonl.meta.json."""
    return path.with_name(f"{path.name}.{suffix}")


def is_replaceable(path: Path) -> bool:
    """Whether it is a regular file, or does not exist yet. Devices and pipes have no record and no journal."""
    try:
        return path.is_file() or not path.exists()
    except OSError:  # such as too long a name, which `check` reports
        return True


def elsewhere(outputs: Outputs) -> str:
    return f"give another {outputs.option}"


def remedy(outputs: Outputs, what: str) -> str:
    return f"{elsewhere(outputs)}, or --force to replace {what}"
