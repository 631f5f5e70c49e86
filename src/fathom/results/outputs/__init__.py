"""Protects files from being overwritten: inputs, files of others, and outputs that another process is writing.

    out = Path("verdicts.jsonl")
    outputs = Outputs("--out", out, files=(out,), record=Path("verdicts.jsonl.meta.json"))
    with claimed(outputs, verb="judge", settings={"style": "depth"}, reads={Path("pairs.jsonl"): "FILE"}):
        ...     # call the model, write the results

`claimed` raises FathomError before any model is called or loaded, and changes no file, if

- a file to be written is also an input, under the same or another name, link or redirection;
- the output cannot be written: a folder of the same name, no permission, no space, too long a name;
- another process is writing it;
- a file to be replaced was not written by Fathom, or was edited since (see `maker`), unless `force` is given;
- it contains results of other settings, unless `force` is given.

When the block ends, also by an exception, the record next to the output lists each file that was written, with its
hash. Fathom recognizes its own files by this hash, in any format. Pages are shared without their record, so they carry
the hash in their last line instead (`marked`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fathom.errors import FathomError
from fathom.results.outputs._lock import locked
from fathom.results.outputs._makers import (
    changed,
    digest,
    holds_something,
    maker,
    marked,
    name_in,
    read_object,
    read_record,
    recorded,
    refuse_foreign,
    refuse_foreign_folder,
    state,
    visible,
)
from fathom.results.outputs._places import check, refuse_standard_output, same_file
from fathom.results.outputs._plan import Outputs, beside, is_replaceable, remedy
from fathom.results.outputs._settings import differences, plain
from fathom.results.provenance import write_json

__all__ = [
    "Claim",
    "Outputs",
    "beside",
    "check",
    "claimed",
    "differences",
    "is_replaceable",
    "maker",
    "marked",
    "recorded",
    "refuse_standard_output",
    "same_file",
]


@dataclass
class Claim:
    """The outputs of this process, which no other process may write until the block of `claimed` ends."""

    outputs: Outputs
    verb: str
    settings: dict[str, Any]
    reads: Mapping[Path, str]
    force: bool
    costly: bool
    notes: list[str] = field(default_factory=list)
    """Messages for the user about files that are replaced."""
    _seen: dict[Path, object] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)
    _settled: dict[str, Any] = field(default_factory=dict)
    _digests: dict[tuple[Path, object], str] = field(default_factory=dict)

    def settle(self, **settings: Any) -> None:
        """Add settings that become known later, such as the engine's identity. Raises FathomError as `claimed` does."""
        self._settled |= plain(settings)
        self._refuse_other_results("settled", self._settled)

    @property
    def described(self) -> dict[str, Any]:
        """The part of the record with which the next run compares its own settings."""
        return {"verb": self.verb, "settings": self.settings, "settled": self._settled}

    def _refuse_to_replace(self) -> None:
        """Raise FathomError if a file would be lost; remember the files as they are, to detect those that change.

        A folder that a verb owns as a whole is recognized by its record alone, because the record of a killed run lists
        no files.
        """
        record = () if self.outputs.marked else (self.outputs.record,)
        if not self.force:
            if self.outputs.whole:
                refuse_foreign_folder(self.outputs)
            for path in filter(holds_something, (*self.outputs.files, *record)):
                refuse_foreign(path, self.outputs)
            self._refuse_other_results("settings", self.settings)
        self._seen = {path: state(path) for path in (*self._candidates(), *record)}
        self._known = (read_record(self.outputs.record) or {"outputs": {}})["outputs"]

    def _refuse_other_results(self, what: str, now: Mapping[str, Any]) -> None:
        recorded_run = read_record(self.outputs.record)
        name = self.outputs.target
        if self.force or self.outputs.marked or recorded_run is None or not name.exists():
            return
        if recorded_run["verb"] != self.verb:
            raise FathomError(
                f"{self.outputs.option} {name} contains results of fathom {recorded_run['verb']}, not of fathom "
                f"{self.verb}; {remedy(self.outputs, 'it')}"
            )
        different = differences(recorded_run[what], now)
        if different and self.costly:
            raise FathomError(
                f"{self.outputs.option} {name} contains results of other settings: {'; '.join(different)}; "
                f"{remedy(self.outputs, 'them')}"
            )
        self.notes = [f"{name} is replaced: {each}" for each in (*different, *changed(recorded_run, self.reads))]

    def seal(self) -> None:
        """Record the files that this process wrote, with their hashes. Does nothing if it wrote none.

        Call it as soon as the results are written: if the process is killed before, the next run does not recognize
        the file as Fathom's. The end of the block of `claimed` calls it, too.
        """
        if self.outputs.marked:
            return
        record, target = self.outputs.record, self.outputs.target
        written = [path for path in self._candidates() if path.exists() and state(path) != self._seen.get(path)]
        if not (written or self.outputs.whole) or not (self.outputs.is_folder or is_replaceable(target)):
            return
        before = read_object(record)
        # Of the record of an earlier run, only the hashes of files that this process did not write still apply.
        described = before if state(record) != self._seen.get(record) else {}
        hashes = self._known | {name_in(path, record): self._hashed(path) for path in written}
        if before != (updated := described | self.described | {"outputs": hashes}):
            write_json(record, updated)

    def _candidates(self) -> Sequence[Path]:
        return visible(self.outputs) if self.outputs.whole else self.outputs.files

    def _hashed(self, path: Path) -> str:
        key = path, state(path)
        if key not in self._digests:
            self._digests[key] = digest(path)
        return self._digests[key]


@contextmanager
def claimed(
    outputs: Outputs,
    *,
    verb: str,
    settings: Mapping[str, Any],
    reads: Mapping[Path, str],
    force: bool = False,
    costly: bool = True,
    dry: bool = False,
) -> Iterator[Claim]:
    """Reserve the outputs for this process. Raises FathomError if a file could be lost, as the module describes.

    `reads` maps the files and folders that the verb reads to the options that name them. Results that are not `costly`
    can be recomputed without model calls, so those of other settings are replaced, with a note. A `dry` run makes the
    same checks and creates no lock, folder or record.
    """
    claim = Claim(outputs, verb, plain(settings), reads, force, costly)
    check(outputs, reads)
    if dry:
        claim._refuse_to_replace()
        yield claim
        return
    with locked(outputs):
        claim._refuse_to_replace()
        if outputs.whole:
            claim.seal()  # so that an interrupted run can be resumed
        try:
            yield claim
        finally:
            claim.seal()
