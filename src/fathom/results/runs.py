"""Runs: files of result rows with their provenance and journal.

    run = runs.open("verdicts.jsonl")
    run.meta["config"]["temperature"], run.meta["summary"]
    for row in run.rows(): ...

A run is a file of results, NAME.jsonl, written by `fathom judge`, `rank` or `eval`. NAME.jsonl.meta.json is its
provenance, and NAME.jsonl.journal has its completions. Both are optional: rows can be read without them. A run of
`--ray` is a folder (`fathom.results.parts`).

`listed`, `inspected` and `journalled` describe a run or a journal as plain values for printing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fathom.engines import Completion
from fathom.engines.cache import entries
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.results import parts
from fathom.results.rows import Row, is_preference, parse_object, read_objects, read_rows, votes_by_pair

MADE_OF_RESULTS = frozenset({"best", "compare", "export"})
"""Verbs whose output files have provenance but are not results."""
MAX_FAILURES = 5
"""The number of different failures that `inspected` lists."""


@dataclass(frozen=True)
class Run:
    """A file of results, or a folder of parts. Files are opened only when rows or metadata are read."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def journal(self) -> Path:
        """The default path of its journal; --journal may have named another file."""
        return self.path.with_name(f"{self.path.name}.journal")

    @cached_property
    def meta(self) -> dict[str, Any]:
        """The provenance: `config`, `versions`, `inputs`, `summary`, ...; empty without a file."""
        path = self.path.with_name(f"{self.path.name}.meta.json")
        content = path.read_bytes() if path.is_file() else None
        if content is None and not self.path.is_file():
            path, content = self.path / parts.MANIFEST, parts.read_manifest(self.path)
        if content is None:
            return {}
        meta: dict[str, Any] = parse_object(content, str(path))
        _check_objects(meta, ("config", "summary"), str(path))
        return meta

    def rows(self) -> Iterator[Row]:
        """Its verdicts or rankings. Raises FathomError as `read_rows` does."""
        return read_rows(self.path)

    def objects(self) -> Iterator[dict[str, Any]]:
        """Its JSON objects, unchecked; they may be preferences. Raises FathomError for a line that is not an object."""
        return read_objects(self.path)

    @property
    def holds_preferences(self) -> bool:
        """Whether its first row is a preference of `fathom pairs`."""
        return is_preference(next(self.objects(), {}))


def open(path: str | Path) -> Run:
    """The run of a file or of a folder of parts. Raises FathomError if there is none."""
    run = Run(Path(path))
    if not run.path.is_file() and not parts.is_run(path):
        raise FathomError(f"{path}: no such run; expected a file of results, as written by fathom judge --out")
    return run


def find(folder: str | Path) -> list[Run]:
    """The runs in a folder and its subfolders, sorted by path: files of results with provenance, and folders of parts.

    A folder of parts is itself its only run.
    """
    suffix = ".meta.json"
    files = [path.with_name(path.name.removesuffix(suffix)) for path in Path(folder).rglob(f"*.jsonl{suffix}")]
    folders = [path.parent for path in Path(folder).rglob(parts.MANIFEST) if parts.is_run(path.parent)]
    results = [Run(path) for path in sorted([*filter(Path.is_file, files), *folders])]
    return [run for run in results if run.meta.get("verb") not in MADE_OF_RESULTS]


def opened(paths: Iterable[Path]) -> list[Run]:
    """The runs of files and folders. Raises FathomError for a missing file, and for a folder without runs."""
    runs = []
    for path in paths:
        of_path = find(path) if path.is_dir() and not parts.is_run(path) else [open(path)]
        if not of_path:
            raise FathomError(
                f"{path}: contains no run; expected a file of results, or a folder of such files with their meta.json"
            )
        runs += of_path
    return runs


def is_journal(path: Path) -> bool:
    """Whether the path is an SQLite file, which journals are."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def listed(run: Run) -> dict[str, Any]:
    """A one-line summary of a run from its metadata, without reading its rows."""
    config, summary = run.meta.get("config", {}), run.meta.get("summary", {})
    figures = summary.get("all", summary)
    if "counts" in summary and "tokens" in summary:  # of fathom pairs
        tokens = summary["tokens"]
        figures = {
            "rows": summary["counts"].get("written"),
            "prompt_tokens": tokens["prompt"],
            "completion_tokens": tokens["completion"],
        }
    elif "score" in summary:  # of fathom eval
        figures = {"rows": summary["score"].get("rows"), "accuracy": (summary.get("domains") or {}).get("all")}
    accuracy = figures.get("accuracy") or figures.get("best_of_n") or figures.get("strict")  # the last of version 0.1
    return {
        "run": str(run.path),
        "written": run.meta.get("written"),
        "model": config.get("model"),
        "judge": judge_name(config),
        "rows": figures.get("rows"),
        "accuracy": None if accuracy is None else round(accuracy[0], 3),
        "tokens": (figures.get("prompt_tokens") or 0) + (figures.get("completion_tokens") or 0) or None,
    }


def judge_name(config: Mapping[str, Any]) -> str | None:
    """The name of the judge in a recorded configuration.

    Earlier versions recorded its Python repr, `MixJudge(style='mix', ...)`; the name is then the class.
    """
    judge = config.get("judge")
    if isinstance(judge, Mapping):
        return str(judge.get("name"))
    return str(judge or "").partition("(")[0] or None


def inspected(run: Run) -> dict[str, Any]:
    """A description of a run: its settings, the statuses of its votes and the most frequent failures."""
    rows = votes = 0
    statuses: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    if run.holds_preferences:
        rows = sum(1 for _ in run.objects())
    for row in () if run.holds_preferences else run.rows():
        cast = [vote for group in votes_by_pair(row) for vote in group]
        rows += 1
        votes += len(cast)
        statuses.update(vote["status"] for vote in cast)
        failures.update(vote["error"] for vote in cast if vote["error"])
    return {
        **listed(run),
        "rows": rows,
        "votes": votes,
        "statuses of votes": dict(statuses.most_common()),
        "most frequent failures": dict(failures.most_common(MAX_FAILURES)),
        "config": {name: value for name, value in run.meta.get("config", {}).items() if value not in (None, [])},
        "spent": run.meta.get("spent"),
        "inputs": run.meta.get("inputs"),
        "versions": run.meta.get("versions"),
    }


def journalled(path: Path) -> list[dict[str, Any]]:
    """The contents of a journal, one entry per engine: completions and readings, tokens, and finish reasons."""
    counts: dict[str, Counter[str]] = {}
    usage: dict[str, Usage] = {}
    ended: dict[str, Counter[str]] = {}
    for entry in entries(path):
        engine = entry.request["engine"] if entry.request else "not recorded (written by an older version)"
        usage[engine] = usage.get(engine, Usage()) + entry.completion.usage
        kinds, reasons = counts.setdefault(engine, Counter()), ended.setdefault(engine, Counter())
        if isinstance(entry.completion, Completion):
            kinds["completions"] += 1
            reasons[entry.completion.finish_reason] += 1
        else:
            kinds[f"readings ({entry.request['reading'] if entry.request else ''})"] += 1
    return [
        {
            "engine": engine,
            **dict(sorted(kinds.items())),
            "prompt tokens": usage[engine].prompt_tokens,
            "completion tokens": usage[engine].completion_tokens,
            **({"calls without reported usage": unknown} if (unknown := usage[engine].unknown_calls) else {}),
            "finish reasons": dict(ended[engine]),
        }
        for engine, kinds in sorted(counts.items())
    ]


def _check_objects(meta: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    for name in names:
        if not isinstance(meta.get(name, {}), dict):
            raise FathomError(f"{where}: {name}: got {type(meta[name]).__name__}, expected an object")
