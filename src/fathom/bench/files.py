"""The files of a benchmark, and their rows: found by pattern, checked for their columns, opened like any other source.

    for path in found(folder, "*train*"):
        yield from each(path, ("prompt", "chosen"), lambda row, line: [comparison(...)])

What differs from the layout is told with the file, the line, the column and the columns that are there.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fathom.data.conversations import BadRowError, as_response, shortened
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain, Label, Message, shuffled_order
from fathom.data.sources import ENDINGS, NumberedRow, open_source
from fathom.errors import FathomError

Make = Callable[[SourceRow, int], Iterable[Comparison]]


def found(folder: Path, *patterns: str) -> list[Path]:
    """The files that match a pattern, in the folder or below it, in the order of the patterns and of their names.

    A pattern is held against a file's name and its path as seen from the folder, so `*Natural*` finds
    Natural/dataset.json too. Of the matching files those count that lie nearest to the folder, or all of them where the
    pattern has `**`. With `a*|b*` the first that matches anything counts. Raises FathomError for a pattern without a
    file.
    """
    readable = sorted(path for path in folder.rglob("*") if _readable(path)) if folder.is_dir() else []
    paths: list[Path] = []
    for pattern in patterns:
        choices = (_matching(readable, folder, choice) for choice in pattern.split("|"))
        matching = next((choice for choice in choices if choice), [])
        if not matching:
            expected = f"expected {', '.join(patterns)} ({', '.join(ENDINGS)}, or gzipped)"
            raise FathomError(f"{folder}: no file matches {pattern}; {expected}; {_there(folder)}")
        paths += [path for path in matching if path not in paths]
    return paths


def _matching(readable: Sequence[Path], folder: Path, pattern: str) -> list[Path]:
    matching = [path for path in readable if any(fnmatchcase(name, pattern) for name in _names(path, folder))]
    nearest = min((len(path.parts) for path in matching), default=0)
    return matching if "**" in pattern else [path for path in matching if len(path.parts) == nearest]


def each(path: Path, columns: Sequence[str], make: Make) -> Iterator[Comparison]:
    """What `make` makes of each row and its line. Raises FathomError with file, line and column where it cannot."""
    for line, row in _rows(path):
        try:
            yield from make(_with(columns, row), line)
        except BadRowError as bad:
            raise FathomError(f"{path}:{line}: {bad.field}: {bad}") from bad
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise FathomError(f"{path}:{line}: is not in the layout: {type(error).__name__}: {error}") from error


def _rows(path: Path) -> Iterator[NumberedRow]:
    """Also of a file that is one object over many lines, which is one row."""
    if path.name.removesuffix(".gz").endswith(".json"):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if text.lstrip().startswith(b"{"):
            with suppress(ValueError):
                return iter([(1, json.loads(text))])
    return open_source(path).rows()


def _with(columns: Sequence[str], row: Any) -> SourceRow:
    if isinstance(row, BadRowError):
        raise row
    if not isinstance(row, Mapping):
        raise BadRowError("row", f"got {shortened(row)}, allowed is an object with columns")
    for column in columns:
        if column not in row:
            raise BadRowError(column, f"lacks the column {column}; there are: {', '.join(map(str, row))}")
    return row


def comparison(
    benchmark: str,
    id: str,
    prompt: str | Sequence[Message],
    responses: Sequence[Any],
    label: Label | None,
    *,
    subset: str,
    domain: Domain | None,
    reference: str | None = None,
    annotations: Mapping[str, Label] | None = None,
    **metadata: Any,
) -> Comparison:
    """A comparison whose id is that of the benchmark, and whose responses stand as the source has them."""
    return Comparison(
        id=f"{benchmark}/{id}",
        prompt=prompt if isinstance(prompt, str) else tuple(prompt),
        responses=tuple(as_response(response, f"responses.{i}") for i, response in enumerate(responses)),
        label=label,
        reference=reference,
        domain=domain,
        annotations=annotations,
        metadata={"benchmark": benchmark, "subset": subset, **metadata},
    )


def best_first(
    benchmark: str, id: str, prompt: str | Sequence[Message], better: Sequence[Any], worse: Sequence[Any], **told: Any
) -> Comparison:
    """A comparison of a source that says which responses are better by where it keeps them; `placed`."""
    scores = tuple(float(i < len(better)) for i in range(len(better) + len(worse)))
    label = Label(best=0) if len(better) == 1 else Label(scores=scores)
    return placed(comparison(benchmark, id, prompt, [*better, *worse], label, **told))


def placed(comparison: Comparison) -> Comparison:
    """The responses in the order drawn for the comparison's id: for sources whose own order gives the label away.

    The order is the same in every run. `source_order` says where the source had each.
    """
    n = len(comparison.responses)
    return comparison.model_copy(update={"source_order": tuple(range(n))}).permuted(shuffled_order(0, comparison.id, n))


def _names(path: Path, folder: Path) -> tuple[str, str]:
    return path.name, path.relative_to(folder).as_posix()


def _readable(path: Path) -> bool:
    return path.is_file() and path.name.removesuffix(".gz").endswith(ENDINGS)


def _there(folder: Path) -> str:
    if not folder.is_dir():
        return "it is no folder"
    names = sorted(path.name for path in folder.iterdir())
    return f"there are: {', '.join(names[:20])}" if names else "it is empty"
