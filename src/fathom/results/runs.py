"""Runs: files of result rows, and their metadata.

    run = runs.open("verdicts.jsonl")
    run.meta["config"]["temperature"], run.meta["summary"]
    for row in run.rows(): ...

A run is a file of results, NAME.jsonl, as `fathom judge`, `rank` and `eval` write it. NAME.jsonl.meta.json says what
made it, NAME.jsonl.journal holds its completions. Any of the two may be missing: rows can be read without them.

`listed`, `inspected` and `journalled` say what a run or a journal holds, as plain values to print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fathom.engines.cache import entries
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.results.rows import Row, is_preference, parse_object, read_objects, read_rows, vote_groups

MADE_OF_RESULTS = frozenset({"best", "compare", "export"})
"""Verbs whose files have provenance beside them, and are no results."""
MAX_FAILURES = 5
"""How many kinds of failure are told."""


@dataclass(frozen=True)
class Run:
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def journal(self) -> Path:
        """Where its completions are, unless --journal named another file."""
        return self.path.with_name(f"{self.path.name}.journal")

    @cached_property
    def meta(self) -> dict[str, Any]:
        """The provenance: `config`, `versions`, `inputs`, `summary`, ...; empty where none was written."""
        path = self.path.with_name(f"{self.path.name}.meta.json")
        if not path.is_file():
            return {}
        meta: dict[str, Any] = parse_object(path.read_bytes(), str(path))
        _check_objects(meta, ("config", "summary"), str(path))
        return meta

    def rows(self) -> Iterator[Row]:
        """Verdicts and rankings. Raises FathomError as `read_rows` does."""
        return read_rows(self.path)

    def objects(self) -> Iterator[dict[str, Any]]:
        """The lines as they are, of preferences too. Raises FathomError for a line that is no JSON object."""
        return read_objects(self.path)

    @property
    def holds_preferences(self) -> bool:
        """Whether its first row is one of `fathom pairs`."""
        return is_preference(next(self.objects(), {}))


def open(path: str | Path) -> Run:
    """The run of that file. Raises FathomError where there is no such file."""
    run = Run(Path(path))
    if not run.path.is_file():
        raise FathomError(f"{path}: no such run; give a file of results, as fathom judge --out writes it")
    return run


def find(folder: str | Path) -> list[Run]:
    """The runs below a folder, by path: every file of results that has its provenance beside it."""
    suffix = ".meta.json"
    described = sorted(Path(folder).rglob(f"*.jsonl{suffix}"))
    results = (Run(path.with_name(path.name.removesuffix(suffix))) for path in described)
    return [run for run in results if run.path.is_file() and run.meta.get("verb") not in MADE_OF_RESULTS]


def opened(paths: Iterable[Path]) -> list[Run]:
    """The runs of files, and those below folders. Raises FathomError for a path that has none."""
    found = []
    for path in paths:
        below = find(path) if path.is_dir() else [open(path)]
        if not below:
            raise FathomError(
                f"{path}: holds no run; give a file of results, or a folder with files and their meta.json"
            )
        found += below
    return found


def is_journal(path: Path) -> bool:
    """Whether it is a file that starts as SQLite's do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def listed(run: Run) -> dict[str, Any]:
    """One line about a run, from its metadata; the rows are not read."""
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
    """The judge of a recorded configuration.

    Earlier versions recorded it as Python writes it, `MixJudge(style='mix', ...)`: of these the class is known.
    """
    judge = config.get("judge")
    if isinstance(judge, Mapping):
        return str(judge.get("name"))
    return str(judge or "").partition("(")[0] or None


def inspected(run: Run) -> dict[str, Any]:
    """What made a run and what came of it: settings that were given, statuses, the commonest failures."""
    rows = votes = 0
    statuses: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    if run.holds_preferences:
        rows = sum(1 for _ in run.objects())
    for row in () if run.holds_preferences else run.rows():
        cast = [vote for group in vote_groups(row) for vote in group]
        rows += 1
        votes += len(cast)
        statuses.update(vote["status"] for vote in cast)
        failures.update(vote["error"] for vote in cast if vote["error"])
    return {
        **listed(run),
        "rows": rows,
        "votes": votes,
        "statuses of votes": dict(statuses.most_common()),
        "commonest failures": dict(failures.most_common(MAX_FAILURES)),
        "config": {name: value for name, value in run.meta.get("config", {}).items() if value not in (None, [])},
        "spent": run.meta.get("spent"),
        "inputs": run.meta.get("inputs"),
        "versions": run.meta.get("versions"),
    }


def journalled(path: Path) -> list[dict[str, Any]]:
    """What a journal holds, an entry an engine: completions, tokens, how they ended."""
    counts: Counter[str] = Counter()
    usage: dict[str, Usage] = {}
    ended: dict[str, Counter[str]] = {}
    for entry in entries(path):
        engine = entry.request["engine"] if entry.request else "not recorded (an older version wrote it)"
        counts[engine] += 1
        usage[engine] = usage.get(engine, Usage()) + entry.completion.usage
        ended.setdefault(engine, Counter())[entry.completion.finish_reason] += 1
    return [
        {
            "engine": engine,
            "completions": count,
            "tokens read": usage[engine].prompt_tokens,
            "tokens written": usage[engine].completion_tokens,
            **({"calls without reported usage": unknown} if (unknown := usage[engine].unknown_calls) else {}),
            "ended": dict(ended[engine]),
        }
        for engine, count in sorted(counts.items())
    ]


def _check_objects(meta: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    for name in names:
        if not isinstance(meta.get(name, {}), dict):
            raise FathomError(f"{where}: {name}: got {type(meta[name]).__name__}, expected an object")
