"""What a verb is about to write, as a value, and the words in which it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outputs:
    """What a verb is about to write, and how its user named it."""

    option: str
    """As the user knows it: `--out`, `--json`, `output=`."""
    target: Path
    """The file or folder that the user named."""
    files: tuple[Path, ...]
    """Every file (or folder of files) that is replaced. All are in one folder, the record's."""
    record: Path
    """The JSON that says what made them: OUT.meta.json beside a file, DIR/manifest.json in a folder."""
    appended: tuple[Path, ...] = ()
    """Files that are written to and not replaced: journals."""
    space: int = 0
    """Bytes that the results have at least, where that is known."""
    is_folder: bool = False
    """Whether `target` is a folder, in which the files are."""
    whole: bool = False
    """Whether the verb may write any file in that folder; then `files` are those that it is known to hold."""
    marked: bool = False
    """Whether the files say themselves who made them (pages do, see `marked`), and no record is written."""

    @property
    def every(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((*self.files, *(() if self.marked else (self.record,)), *self.appended)))


def beside(path: Path, suffix: str) -> Path:
    """`beside(Path("v.jsonl"), "meta.json")` is v.jsonl.meta.json."""
    return path.with_name(f"{path.name}.{suffix}")


def is_replaceable(path: Path) -> bool:
    """Whether it is a file, or could become one. A device or a pipe is written to, has no record and no journal."""
    try:
        return path.is_file() or not path.exists()
    except OSError:  # too long a name, say: `check` says why it cannot be written
        return True


def elsewhere(outputs: Outputs) -> str:
    return f"give another {outputs.option}"


def remedy(outputs: Outputs, what: str) -> str:
    return f"{elsewhere(outputs)}, or --force to replace {what}"
