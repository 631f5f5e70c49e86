"""Shared by all verbs: checks which files a verb reads and writes, and how it ends if it is interrupted.

    @verb("view")
    def command(run: Path, out: Path): ...      # `cli/__init__` wraps every verb this way

    claim(file_outputs("--out", out))           # in the verb, before it calls, loads or writes anything

The files that a verb reads are derived from its arguments: every value, also after NAME=, that is an existing path. New
options are therefore covered without further code. The files that it writes must be claimed; claims hold until the
verb ends.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from fathom.errors import FathomError, RunInterruptedError
from fathom.results.outputs import (
    Claim,
    Outputs,
    beside,
    check,
    claimed,
    is_replaceable,
    recorded,
    refuse_standard_output,
    same_file,
)
from fathom.settings import BoundSettings, EngineSettings, RaySettings, flag_of

Force = Annotated[
    bool, typer.Option("--force", help="Replace files that Fathom did not write, and results of other settings.")
]

WRITTEN = frozenset({"out", "json", "journal", "output"})
"""Arguments for output files. Any other argument that is a path is an input."""
COLLECTIONS = frozenset({"run", "path", "data"})
"""Arguments that may be a folder of which only some files are read; the verb lists these."""
NO_RESULT = frozenset(
    {
        *("force", "dry_run", "fail_on", "on_error", "concurrency", "browser", "port"),
        *("names", "listed", "seeds", "quick", "results"),
        *(flag_of(kind, name) for kind in (EngineSettings, BoundSettings, RaySettings) for name in kind.model_fields),
    }
) - {"model"}
"""Arguments that do not change results, or only through the engine, whose identity is compared instead."""


@dataclass
class _Invocation:
    verb: str
    given: Mapping[str, Any]
    stack: ExitStack
    claims: dict[Path, Claim] = field(default_factory=dict)


_current: ContextVar[_Invocation] = ContextVar("the verb that runs")


def verb(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that it may claim outputs, and ends with one line if interrupted or failed by the system."""

    @wraps(command)
    def run(**given: Any) -> None:
        with ExitStack() as stack:
            stack.enter_context(_notices())
            token = _current.set(_Invocation(name, given, stack))
            try:
                refuse_standard_output(_reads(given))
                command(**given)
            except KeyboardInterrupt:
                raise RunInterruptedError("stopped") from None
            except BrokenPipeError:
                raise
            except OSError as error:
                raise FathomError(f"the operating system reported an error: {error}") from error
            finally:
                _current.reset(token)

    return run


class _Echo(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(record.getMessage(), err=True)


@contextmanager
def _notices() -> Iterator[None]:
    """Print notices about the source, such as unused columns, as lines on stderr."""
    log, handler = logging.getLogger("fathom.data.reading"), _Echo()
    before = log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before


def claim(outputs: Outputs, *, reads: Mapping[Path, str] | None = None, costly: bool = True, **settings: Any) -> Claim:
    """Claim outputs for the running verb until it ends. Claiming them again returns the same claim.

    `reads`: input files that the arguments do not name. `settings`: settings that are not arguments. Raises FathomError
    as `fathom.results.outputs.claimed` does.
    """
    now = _current.get()
    if outputs.target not in now.claims:
        _refuse_twice(outputs, now.claims.values())
        new = claimed(
            outputs,
            verb=now.verb,
            settings=_settings(now.given) | settings,
            reads={**_reads(now.given), **(reads or {})},
            force=bool(now.given.get("force")),
            costly=costly,
            dry=bool(now.given.get("dry_run")),
        )
        now.claims[outputs.target] = now.stack.enter_context(new)
        for note in now.claims[outputs.target].notes:
            typer.echo(note, err=True)
    return now.claims[outputs.target]


def check_journal(journal: Path) -> None:
    """Raise FathomError if --journal is also an input or another output, or is not a file.

    A journal is not claimed, because several processes may share it.
    """
    now = _current.get()
    outputs = Outputs("--journal", journal, (), journal, appended=(journal,))
    check(outputs, _reads(now.given))
    for other in now.claims.values():
        if any(same_file(journal, path) for path in (*other.outputs.files, other.outputs.record)):
            raise FathomError(f"--journal {journal} is also written by {other.outputs.option}; give another --journal")


def _refuse_twice(outputs: Outputs, claims: Iterable[Claim]) -> None:
    for earlier in claims:
        for path in outputs.every:
            if any(same_file(path, other) for other in earlier.outputs.every):
                raise FathomError(
                    f"{outputs.option} {outputs.target} and {earlier.outputs.option} {earlier.outputs.target} would "
                    f"both write {path}; give two names"
                )


def file_outputs(option: str, out: Path, *more: Path, journal: Path | None = None, space: int = 0) -> Outputs:
    """A file, its companion files, and its record OUT.meta.json."""
    if not is_replaceable(out):
        return Outputs(option, out, (out,), out)
    return Outputs(option, out, (out, *more), beside(out, "meta.json"), (journal,) if journal else (), space)


def page_outputs(out: Path) -> Outputs:
    """A page in a single file."""
    return Outputs("--out", out, (out,), out, marked=True)


def whole_folder(option: str, out: Path, *names: str) -> Outputs:
    """A folder that the verb owns as a whole, because it writes files under many names: it must hold no others.

    `names`: files that it may write, beside those that it wrote before.
    """
    before = (path for path in recorded(out / "manifest.json") if path.is_file())
    known = tuple(dict.fromkeys((*(out / name for name in names), *before)))
    return Outputs(option, out, known, out / "manifest.json", is_folder=True, whole=True)


def folder_outputs(option: str, out: Path, *names: str, journal: str | None = None) -> Outputs:
    """Files in a folder, and its record, manifest.json."""
    files = tuple(out / name for name in names)
    record, appended = out / "manifest.json", (out / journal,) if journal else ()
    return Outputs(option, out, files, record, appended, is_folder=True)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in WRITTEN | NO_RESULT}


# Input files ----------------------------------------------------------------------------------------------------------


def _reads(given: Mapping[str, Any]) -> dict[Path, str]:
    """The existing paths among the arguments, each with the name of its argument."""
    inputs: dict[Path, str] = {}
    for name, value in given.items():
        if name in WRITTEN:
            continue
        for path in _paths(name, value):
            if not (path.is_dir() and name in COLLECTIONS):
                inputs.setdefault(path, _argument_name(name))
    return inputs


def _paths(name: str, value: Any) -> Iterator[Path]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _paths(name, each)
    elif name == "file" and value == "-":
        yield Path("/dev/stdin")
    elif name == "file" and str(value).startswith("hf:"):  # a local datasets folder, of which any file may be read
        folder = Path(str(value).removeprefix("hf:").partition(":")[0])
        yield from (path for path in folder.rglob("*") if path.is_file())
    elif isinstance(value, str | Path):
        yield from (Path(text) for text in _texts(str(value)) if _is_there(text))


def _texts(value: str) -> Iterator[str]:
    """The value, the text after NAME= in it, and the file of FILE.py:NAME."""
    yield value
    yield value.rpartition(":")[0]
    if "=" in value:
        try:
            words = shlex.split(value)
        except ValueError:
            words = [value]
        for word in (value, *words):
            key, equals, text = word.partition("=")
            if equals and key not in WRITTEN:
                yield text
                yield text.rpartition(":")[0]


def _is_there(text: str) -> bool:
    try:
        return text != "" and Path(text).exists()
    except (OSError, ValueError):  # a text that cannot be a path
        return False


def _argument_name(name: str) -> str:
    """The argument as the user writes it: FILE, or --option."""
    arguments = {"file", "run", "path", "names", "a", "b", "recipe"}
    return name.upper() if name in arguments else f"--{name.replace('_', '-')}"
