"""`fathom judge FILE`: a verdict for every comparison of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli import _options as options

if TYPE_CHECKING:
    from fathom.metrics.verdicts import Tally


def command(
    file: options.File,
    model: options.Model,
    engine: options.EngineName = "local",
    base_url: options.BaseUrl = None,
    engine_option: options.EngineOption = [],  # noqa: B006
    judge: options.JudgeName = None,
    style: options.Style = None,
    prompt: options.Prompt = None,
    votes: Annotated[int, typer.Option(min=1, help="Votes on each comparison, in each order.")] = 1,
    swap: Annotated[bool, typer.Option("--swap", help="Vote in both orders of the responses.")] = False,
    temperature: options.Temperature = 0.0,
    max_tokens: options.MaxTokens = 2048,
    seed: options.Seed = 0,
    map: options.Map = [],  # noqa: B006
    on_error: options.OnError = "stop",
    limit: options.Limit = None,
    out: Annotated[Path | None, typer.Option(help="Where the verdicts go; without it, to standard output.")] = None,
    journal: options.Journal = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    max_batch_tokens: options.MaxBatchTokens = None,
) -> None:
    """Judge the comparisons of a file: one verdict a line, and a summary on stderr.

        fathom judge pairs.jsonl --model runs/sft --swap --out verdicts.jsonl
        fathom judge pairs.jsonl --engine openai --base-url http://localhost:8000/v1 --model Qwen/Qwen3-32B

    Every finished completion is kept in a journal beside OUT. To go on after an interruption, give the same command
    again. OUT.meta.json says what made the file, OUT.skipped.jsonl which rows --on-error skip left out and why. A text
    that holds no verdict has a status that says so and counts for nobody.
    """
    given = dict(locals())
    from fathom.cli._judging import describe, opened, run, show
    from fathom.judging import write_verdicts
    from fathom.metrics.verdicts import summary

    ready = opened(given)
    tallies = run(ready, "judged", partial(write_verdicts, ready.voter, ready.comparisons))
    show("verdicts", tallies, _LINES)
    describe(ready, summary(tallies))


_LINES: Mapping[str, Callable[[Tally], str]] = {
    "rows": lambda tally: str(tally.rows),
    "status": lambda tally: _shares(tally.status),
    "accuracy, unreadable is wrong": lambda tally: str(tally.strict or "no labels"),
    "accuracy of the readable": lambda tally: str(tally.readable or "nothing readable with a label"),
    "share readable": lambda tally: str(tally.readable_share or "no rows"),
    "structure": lambda tally: _shares(tally.structure),
    "tokens read, written": lambda tally: f"{tally.prompt_tokens}, {tally.completion_tokens}",
}


def _shares(counts: Counter[str]) -> str:
    return "\n".join(f"{name} {count} ({count / counts.total():.0%})" for name, count in counts.most_common()) or "none"
