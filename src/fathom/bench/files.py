"""The files of a benchmark and their rows: found by pattern, checked for columns, and read like any other source.

    for path in found(folder, "*train*"):
        yield from each(path, ("prompt", "chosen"), lambda row, line: [comparison(...)])

If a row does not fit the layout, the error names the file, the line, the column and the columns present.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fathom.data.conversations import BadRowError, as_response, truncated_repr
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain, Label, Message, shuffled_order
from fathom.data.sources import ENDINGS, NumberedRow, open_data_source
from fathom.errors import FathomError

Make = Callable[[SourceRow, int], Iterable[Comparison]]


def found(folder: Path, *patterns: str) -> list[Path]:
    """The files in or below a folder that match the patterns, sorted by pattern and then by name.

    A pattern matches a file's name or its path relative to the folder, so `*Natural*` matches Natural/dataset.json. Of
    the matching files, only the least deeply nested count, or all if the pattern contains `**`. `a*|b*` lists
    alternatives, of which the first with a match is used. Raises FathomError for a pattern without a match.
    """
    readable = sorted(path for path in folder.rglob("*") if _readable(path)) if folder.is_dir() else []
    paths: list[Path] = []
    for pattern in patterns:
        choices = (_matching(readable, folder, choice) for choice in pattern.split("|"))
        matching = next((choice for choice in choices if choice), [])
        if not matching:
            expected = f"expected {', '.join(patterns)} ({', '.join(ENDINGS)}, or gzipped)"
            raise FathomError(f"{folder}: no file matches {pattern}; {expected}; {_contents(folder)}")
        paths += [path for path in matching if path not in paths]
    return paths


def _matching(readable: Sequence[Path], folder: Path, pattern: str) -> list[Path]:
    matching = [path for path in readable if any(fnmatchcase(name, pattern) for name in _names(path, folder))]
    nearest = min((len(path.parts) for path in matching), default=0)
    return matching if "**" in pattern else [path for path in matching if len(path.parts) == nearest]


def each(path: Path, columns: Sequence[str], make: Make) -> Iterator[Comparison]:
    """The comparisons that `make(row, line)` makes of each row.

    Raises FathomError, with file, line and column, for a row that lacks a column or does not fit the layout.
    """
    for line, row in _rows(path):
        try:
            yield from make(_with(columns, row), line)
        except BadRowError as bad:
            raise FathomError(f"{path}:{line}: {bad.field}: {bad}") from bad
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise FathomError(
                f"{path}:{line}: the row does not have the benchmark's layout: {type(error).__name__}: {error}; "
                "expected an unmodified file"
            ) from error


def _rows(path: Path) -> Iterator[NumberedRow]:
    """The numbered rows of a file. A JSON file that is one object, possibly over many lines, is one row."""
    if path.name.removesuffix(".gz").endswith(".json"):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if text.lstrip().startswith(b"{"):
            with suppress(ValueError):
                return iter([(1, json.loads(text))])
    return open_data_source(path).rows()


def _with(columns: Sequence[str], row: Any) -> SourceRow:
    if isinstance(row, BadRowError):
        raise row
    if not isinstance(row, Mapping):
        raise BadRowError("row", f"got {truncated_repr(row)}, expected an object with columns")
    for column in columns:
        if column not in row:
            raise BadRowError(column, f"lacks the column {column}; its columns are {', '.join(map(str, row))}")
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
    """A comparison with the id BENCHMARK/ID and the responses in the order of the source."""
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
    benchmark: str, id: str, prompt: str | Sequence[Message], better: Sequence[Any], worse: Sequence[Any], **others: Any
) -> Comparison:
    """A comparison whose source has separate columns for better and worse responses, in the order of `placed`.

    `others` are further arguments of `comparison`.
    """
    scores = tuple(float(i < len(better)) for i in range(len(better) + len(worse)))
    label = Label(best=0) if len(better) == 1 else Label(scores=scores)
    return placed(comparison(benchmark, id, prompt, [*better, *worse], label, **others))


def placed(comparison: Comparison) -> Comparison:
    """The comparison with its responses shuffled by its id, for sources whose order reveals the label.

    The order is the same in every run. `source_order` has the position of each response in the source.
    """
    n = len(comparison.responses)
    return comparison.model_copy(update={"source_order": tuple(range(n))}).permuted(shuffled_order(0, comparison.id, n))


def _names(path: Path, folder: Path) -> tuple[str, str]:
    return path.name, path.relative_to(folder).as_posix()


def _readable(path: Path) -> bool:
    return path.is_file() and path.name.removesuffix(".gz").endswith(ENDINGS)


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return "it is not a folder"
    names = sorted(path.name for path in folder.iterdir())
    return f"it contains {', '.join(names[:20])}" if names else "it is empty"
