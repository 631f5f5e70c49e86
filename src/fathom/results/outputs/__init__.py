"""What a run may write: nothing that it reads, nothing that others made, nothing that another process is writing.

    out = Path("verdicts.jsonl")
    outputs = Outputs("--out", out, files=(out,), record=Path("verdicts.jsonl.meta.json"))
    with claimed(outputs, verb="judge", settings={"style": "depth"}, reads={Path("pairs.jsonl"): "FILE"}):
        ...     # ask, pay, write

`claimed` raises FathomError before anything is asked, loaded or written, and leaves every file as it was, where

- a file to be written is one that is read, by whatever name, link or redirection;
- the output cannot be written: a folder in its place, no permission, no space, too long a name;
- another process is writing it;
- a file to be replaced was not made by Fathom, or was changed since (see `maker`), unless `force` is given;
- it holds results of other settings, unless `force` is given.

When the block ends, however it ends, the record beside the output names each file that was written, with its hash. By
that Fathom knows its own files, whatever their format. Pages, which are passed on alone, are `marked` instead.
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
    """Outputs that this process alone may write, until the block of `claimed` is left."""

    outputs: Outputs
    verb: str
    settings: dict[str, Any]
    reads: Mapping[Path, str]
    force: bool
    costly: bool
    notes: list[str] = field(default_factory=list)
    """What a user should be told although nothing is refused."""
    _seen: dict[Path, object] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)
    _settled: dict[str, Any] = field(default_factory=dict)
    _digests: dict[tuple[Path, object], str] = field(default_factory=dict)

    def settle(self, **settings: Any) -> None:
        """Adds settings that are known only now: the engine's identity, say. Raises FathomError as `claimed` does."""
        self._settled |= plain(settings)
        self._refuse_other_results("settled", self._settled)

    @property
    def described(self) -> dict[str, Any]:
        """What belongs into the record so that the next run can compare itself with this one."""
        return {"verb": self.verb, "settings": self.settings, "settled": self._settled}

    def _refuse_what_would_be_lost(self) -> None:
        """A folder of which a verb owns all is known by its record; of a killed run that names no files yet."""
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
        told = read_record(self.outputs.record)
        name = self.outputs.target
        if self.force or self.outputs.marked or told is None or not name.exists():
            return
        if told["verb"] != self.verb:
            raise FathomError(
                f"{self.outputs.option} {name} holds what fathom {told['verb']} wrote, and this is fathom {self.verb}; "
                f"{remedy(self.outputs, 'it')}"
            )
        different = differences(told[what], now)
        if different and self.costly:
            raise FathomError(
                f"{self.outputs.option} {name} holds results of other settings: {'; '.join(different)}; "
                f"{remedy(self.outputs, 'them')}"
            )
        self.notes = [f"{name} is replaced: {each}" for each in (*different, *changed(told, self.reads))]

    def seal(self) -> None:
        """Writes into the record which of the files this process wrote, with their hashes; nothing where it wrote none.

        To be called as soon as results are there: of a process that is killed before, the next one cannot tell that
        the file is its own. Leaving the block of `claimed` calls it, too.
        """
        if self.outputs.marked:
            return
        record, target = self.outputs.record, self.outputs.target
        written = [path for path in self._candidates() if path.exists() and state(path) != self._seen.get(path)]
        if not (written or self.outputs.whole) or not (self.outputs.is_folder or is_replaceable(target)):
            return
        before = read_object(record)
        # Of a record that this process has not written, only what it says of other files still holds.
        described = before if state(record) != self._seen.get(record) else {}
        hashes = self._known | {name_in(path, record): self._hashed(path) for path in written}
        if before != (told := described | self.described | {"outputs": hashes}):
            write_json(record, told)

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
    """The outputs, for this process alone. Raises FathomError where a file could be lost; see the module.

    `reads` are the files and folders that the verb reads, and the options by which a user gave them. Results that are
    not `costly` can be made again for nothing, so those of other settings are replaced, with a note. A `dry` run
    refuses the same and leaves no trace: no lock, no folder, no record.
    """
    claim = Claim(outputs, verb, plain(settings), reads, force, costly)
    check(outputs, reads)
    if dry:
        claim._refuse_what_would_be_lost()
        yield claim
        return
    with locked(outputs):
        claim._refuse_what_would_be_lost()
        if outputs.whole:
            claim.seal()  # so that what is interrupted can be gone on with
        try:
            yield claim
        finally:
            claim.seal()
