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

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from platform import node
from typing import Any

from fathom.errors import FathomError
from fathom.provenance import write_json

try:
    import fcntl
except ImportError:  # Windows: two processes with one output are not kept apart there
    fcntl = None  # type: ignore[assignment]

LEAST_SPACE = 2**20
"""Bytes that must be free where a run writes: less does not hold a journal."""
FOLDER = "folder"
"""What a record says of a folder in place of a hash."""


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
    """Whether the files carry their own mark (see `marked`), and no record is written."""

    @property
    def every(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((*self.files, *(() if self.marked else (self.record,)), *self.appended)))


def beside(path: Path, suffix: str) -> Path:
    """`beside(Path("v.jsonl"), "meta.json")` is v.jsonl.meta.json."""
    return path.with_name(f"{path.name}.{suffix}")


def is_replaceable(path: Path) -> bool:
    """Whether it is a file, or could become one. A device or a pipe is written to, has no record and no journal."""
    return path.is_file() or not path.exists()


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
    _settled: dict[str, Any] = field(default_factory=dict)
    _digests: dict[tuple[Path, object], str] = field(default_factory=dict)

    def settle(self, **settings: Any) -> None:
        """Adds settings that are known only now: the engine's identity, say. Raises FathomError as `claimed` does."""
        self._settled |= _plain(settings)
        self._refuse_other_results("settled", self._settled)

    @property
    def described(self) -> dict[str, Any]:
        """What belongs into the record so that the next run can compare itself with this one."""
        return {"verb": self.verb, "settings": self.settings, "settled": self._settled}

    def _refuse_what_would_be_lost(self) -> None:
        if self.outputs.whole and not self.force:
            _refuse_foreign_folder(self.outputs)
        files = [*self._candidates(), *(() if self.outputs.marked else (self.outputs.record,))]
        if not self.force:
            for path in filter(_holds_something, files):
                _refuse_foreign(path, self.outputs)
            self._refuse_other_results("settings", self.settings)
        self._seen = {path: _state(path) for path in files}

    def _refuse_other_results(self, what: str, now: Mapping[str, Any]) -> None:
        told = _read_record(self.outputs.record)
        there = self.outputs.whole or any(map(_holds_something, self.outputs.files))
        if self.force or self.outputs.marked or told is None or not there:
            return
        name = self.outputs.target
        if told.get("verb") != self.verb:
            raise FathomError(
                f"{self.outputs.option} {name} holds what fathom {told.get('verb')} wrote, and this is fathom "
                f"{self.verb}; {_remedy(self.outputs, 'it')}"
            )
        different = differences(told.get(what, {}), now)
        if different and self.costly:
            raise FathomError(
                f"{self.outputs.option} {name} holds results of other settings: {'; '.join(different)}; "
                f"{_remedy(self.outputs, 'them')}"
            )
        self.notes = [f"{name} is replaced: {each}" for each in (*different, *_changed(told, self.reads))]

    def seal(self) -> None:
        """Writes into the record which of the files this process wrote, with their hashes; nothing where it wrote none.

        To be called as soon as results are there: of a process that is killed before, the next one cannot tell that
        the file is its own. Leaving the block of `claimed` calls it, too.
        """
        if self.outputs.marked:
            return
        record, target = self.outputs.record, self.outputs.target
        written = [path for path in self._candidates() if path.exists() and _state(path) != self._seen.get(path)]
        if not (written or self.outputs.whole) or not (self.outputs.is_folder or is_replaceable(target)):
            return
        before = _read_record(record) or {}
        # Of a record that this process has not written, only what it says of other files still holds.
        described = before if _state(record) != self._seen.get(record) else {}
        hashes = before.get("outputs", {}) | {_name(path, record): self._digest(path) for path in written}
        if before != (told := described | self.described | {"outputs": hashes}):
            write_json(record, told)

    def _candidates(self) -> Sequence[Path]:
        return _visible(self.outputs) if self.outputs.whole else self.outputs.files

    def _digest(self, path: Path) -> str:
        key = path, _state(path)
        if key not in self._digests:
            self._digests[key] = _digest(path)
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
    claim = Claim(outputs, verb, _plain(settings), reads, force, costly)
    check(outputs, reads)
    if dry:
        claim._refuse_what_would_be_lost()
        yield claim
        return
    with _locked(outputs):
        claim._refuse_what_would_be_lost()
        if outputs.whole:
            claim.seal()  # so that what is interrupted can be gone on with
        try:
            yield claim
        finally:
            claim.seal()


def check(outputs: Outputs, reads: Mapping[Path, str]) -> None:
    """Raises FathomError where a file to be written is read, could not be written, or would be written twice."""
    _refuse_read(outputs, reads)
    twice = [path for number, path in enumerate(outputs.files) if path in outputs.files[:number]]
    if twice:
        raise FathomError(f"{outputs.option} {outputs.target} would write {twice[0]} twice; rename one of the inputs")
    _refuse_unusable(outputs)


# What is read ---------------------------------------------------------------------------------------------------------


def _refuse_read(outputs: Outputs, reads: Mapping[Path, str]) -> None:
    """Raises FathomError where a file to be written is read, or lies in a model or data set that is read as a whole."""
    for read, what in reads.items():
        for path in outputs.every:
            named = f"{outputs.option} {outputs.target}"
            named += "" if path == outputs.target else f" would write {path}, which"
            if same_file(path, read) or (read.name and same_file(path, beside(read, "meta.json"))):
                raise FathomError(f"{named} is the same file as {read}, which is read as {what}; {_elsewhere(outputs)}")
            if _is_read_whole(read) and _inside(path, read):
                raise FathomError(f"{named} lies in {read}, which is read as {what}; {_elsewhere(outputs)}")


def refuse_standard_output(reads: Mapping[Path, str]) -> None:
    """Raises FathomError where standard output or the messages are redirected into a file that is read."""
    for descriptor, stream in ((1, "standard output"), (2, "standard error")):
        for read, what in reads.items():
            if _is_redirected_into(descriptor, read):
                raise FathomError(f"{stream} goes to {read}, which is read as {what}; send it to another file")


def same_file(a: Path, b: Path) -> bool:
    """Whether two names lead to one file: by symbolic or hard links, other spellings, or an open descriptor."""
    with suppress(OSError):
        return a.samefile(b)
    return os.path.realpath(a) == os.path.realpath(b)


def _is_redirected_into(descriptor: int, path: Path) -> bool:
    with suppress(OSError):
        there = path.stat()
        return stat.S_ISREG(there.st_mode) and os.path.samestat(os.fstat(descriptor), there)
    return False


def _is_read_whole(folder: Path) -> bool:
    """Whether it is a model or a saved data set, of which a new file in it would be a part."""
    parts = ("config.json", "adapter_config.json", "state.json", "dataset_info.json")
    return any((folder / part).is_file() for part in parts)


def _inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


# What can be written --------------------------------------------------------------------------------------------------


def _refuse_unusable(outputs: Outputs) -> None:
    named = f"{outputs.option} {outputs.target}"
    try:
        for path in (*outputs.files, *outputs.appended):
            _refuse_in_place(path, outputs)
        if outputs.is_folder and _exists(outputs.target) and not outputs.target.is_dir():
            raise FathomError(f"{named} is a file, and a folder is expected; {_elsewhere(outputs)}")
        for path in (outputs.target, *outputs.appended):
            _refuse_place(path, outputs)
    except OSError as error:  # too long a name, a circle of links, a folder that may not be looked into
        raise FathomError(f"{named} cannot be written: {error.strerror}; {_elsewhere(outputs)}") from None


def _refuse_in_place(path: Path, outputs: Outputs) -> None:
    """A folder may be replaced where a verb makes one; those have names without an ending."""
    named = f"{outputs.option} {path}"
    if _exists(path) and path.is_dir() and (path == outputs.target or path.suffix):
        raise FathomError(f"{named} is a folder, and a file is expected; {_elsewhere(outputs)}")
    if path.is_file() and not path.stat().st_mode & 0o222:
        raise FathomError(f"{named} is read-only; {_elsewhere(outputs)}, or allow writing it (chmod u+w)")


def _refuse_place(path: Path, outputs: Outputs) -> None:
    """Of the folders above, the nearest that exists is where the others are made."""
    named = f"{outputs.option} {path}"
    path = Path(os.path.realpath(path))
    nearest = next(place for place in (path, *path.parents) if _exists(place))
    if nearest == path and not nearest.is_dir():
        nearest = path.parent  # a file is replaced by one that is written beside it
        if not is_replaceable(path):
            return
    if not nearest.is_dir():
        raise FathomError(f"{named} cannot be written: {nearest} is no folder; {_elsewhere(outputs)}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise FathomError(f"{named} cannot be written: no permission to write in {nearest}; {_elsewhere(outputs)}")
    free, needed = shutil.disk_usage(nearest).free, max(LEAST_SPACE, outputs.space)
    if free < needed:
        raise FathomError(
            f"{named}: {free / 2**20:,.1f} MiB are free on that disk, and at least {needed / 2**20:,.1f} MiB are "
            f"needed; make room, or {_elsewhere(outputs)}"
        )


def _exists(path: Path) -> bool:
    """As `Path.exists`, which takes some failures to look for the absence of the file."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


# Who writes it now ----------------------------------------------------------------------------------------------------


@contextmanager
def _locked(outputs: Outputs) -> Iterator[None]:
    """Makes the output's folder and holds its lock. What was made for nothing is removed again.

    The lock is the system's own (flock): it ends with the process, so no dead one can hold it. The file tells others
    who holds it. Where a file system has no locks, there are none.
    """
    target = Path(os.path.realpath(outputs.target))  # so that two names of one file have one lock
    if not outputs.is_folder and not is_replaceable(target):
        yield
        return
    place = target if outputs.is_folder else target.parent
    lock = place / ".fathom.lock" if outputs.is_folder else target.with_name(f".{target.name}.lock")
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
        descriptor = _acquired(lock, outputs)
    except OSError as error:
        _remove_empty(missing)
        named = f"{outputs.option} {outputs.target}"
        raise FathomError(f"{named} cannot be written: {error}; {_elsewhere(outputs)}") from None
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(descriptor)
        _remove_empty(missing)


def _acquired(lock: Path, outputs: Outputs) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1000).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise FathomError(
                f"{outputs.option} {outputs.target} is being written by {holder}; wait until that has ended, or "
                f"{_elsewhere(outputs)}"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                raise
        # Whoever held it before may have removed the file between the two calls; such a lock keeps nobody out.
        if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
            break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
    return descriptor


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


# Whose it is ----------------------------------------------------------------------------------------------------------


def maker(path: Path, record: Path) -> str | None:
    """The verb of Fathom that wrote `path` as it is now; None where none did, or where it was changed since.

    A file is Fathom's own where the record beside it (OUT.meta.json, or DIR/manifest.json) names it with the hash that
    it has, or where it is a page that ends in such a hash (`marked`). So a file that was edited, or put in the place of
    a result, is its maker's. Of a folder the name is enough.
    """
    if (verb := _mark(path)) is not None:
        return verb
    told = _read_record(record)
    if told is None or "verb" not in told:
        return None
    if path == record:
        return str(told["verb"])
    known = told.get("outputs", {}).get(_name(path, record))
    return str(told["verb"]) if known is not None and known == _digest(path) else None


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
    told = _read_record(record) or {}
    return [record.parent / name for name in told.get("outputs", {})]


def _refuse_foreign(path: Path, outputs: Outputs) -> None:
    if maker(path, outputs.record) is not None:
        return
    told = _read_record(outputs.record)
    known = told is not None and _name(path, outputs.record) in told.get("outputs", {})
    said_by = "last line" if outputs.marked else outputs.record.name
    foreign = f"exists, and no {said_by} says that Fathom made it as it is"
    why = f"has changed since Fathom wrote it, as {outputs.record.name} says" if known else foreign
    brought = "" if path == outputs.target else f" {outputs.option} {outputs.target} would replace it;"
    raise FathomError(f"{path} {why};{brought} {_remedy(outputs, 'it')}")


def _refuse_foreign_folder(outputs: Outputs) -> None:
    holds = [path.name for path in _visible(outputs)]
    if holds and maker(outputs.record, outputs.record) is None:
        raise FathomError(
            f"{outputs.option} {outputs.target} holds {', '.join(holds[:3])}, and no {outputs.record.name} says that "
            f"Fathom made it; {_remedy(outputs, 'files in it')}"
        )


def _visible(outputs: Outputs) -> list[Path]:
    """What the output's folder holds beside the record and hidden files."""
    if not outputs.target.is_dir():
        return []
    return sorted(path for path in outputs.target.iterdir() if path != outputs.record and path.name[0] != ".")


def _read_record(path: Path) -> dict[str, Any] | None:
    """None for a file that is no record of Fathom's."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("outputs", {}), dict) else None


def _holds_something(path: Path) -> bool:
    if path.is_dir():
        return any(path.iterdir())
    return path.is_file() and path.stat().st_size > 0


def _name(path: Path, record: Path) -> str:
    return Path(os.path.relpath(path, record.parent)).as_posix()


def _digest(path: Path) -> str:
    if path.is_dir():
        return FOLDER
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> object:
    """Changes whenever the file is replaced."""
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None


# Of what settings -----------------------------------------------------------------------------------------------------


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the settings of two runs, in words; empty where the second gives what the first gave.

    A setting that is absent is as one that is empty. More rows of the same source (`limit`) are no difference: all
    results of before are among those of now. Of standard input nobody can tell.
    """
    names = sorted({*before, *now})
    return [
        f"{_flag(name)} was {_shown(before.get(name))} and is {_shown(now.get(name))}"
        for name in names
        if not _alike(name, before.get(name), now.get(name))
    ]


def _alike(name: str, before: Any, now: Any) -> bool:
    if name == "limit":
        return now is None or (before is not None and now >= before)
    if name == "file" and "-" in (before, now):
        return False
    if not before and not now:
        return True
    paths = isinstance(before, str) and isinstance(now, str) and os.path.realpath(before) == os.path.realpath(now)
    return bool(before == now) or paths


def _changed(told: Mapping[str, Any], reads: Mapping[Path, str]) -> list[str]:
    """Which of the files that are read have another content than the record names."""
    hashes = told.get("inputs", {})
    files = [path for path in reads if str(path) in hashes and path.is_file()]
    return [f"{path} has changed since" for path in files if _digest(path) != hashes[str(path)]]


def _flag(name: str) -> str:
    return name.upper() if name in {"file", "run", "path", "names"} else f"--{name.replace('_', '-')}"


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "not given"
    return "standard input" if value == "-" else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As they come back from a record."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(settings), default=str))
    return plain


def _elsewhere(outputs: Outputs) -> str:
    return f"give another {outputs.option}"


def _remedy(outputs: Outputs, what: str) -> str:
    return f"{_elsewhere(outputs)}, or --force to replace {what}"
